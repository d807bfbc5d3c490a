#!/bin/bash
# The conformance suite: the traces of conform.c on every backend, the events compared between them.
# usage: conform.sh [BACKEND...]      io_uring epoll simulated kqueue (all four without one), iocp
# kqueue runs on a shim of <sys/event.h> over epoll (tests/ports/kqueue/), IOCP in wine.
set -u
cd "$(dirname "$0")/../.." || exit 1
out=build/conform
mkdir -p $out
passed=0 failed=0 skipped=0
options="-std=c11 -g -O1 -Wall -Wextra -Wno-unused-function"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
fixed=$(setarch -R true 2>/dev/null && echo setarch -R)
CC=${CC:-cc}

good() { passed=$((passed + 1)); echo "ok   $*"; }
bad() { failed=$((failed + 1)); echo "FAIL $*"; }
skip() { skipped=$((skipped + 1)); echo "skip $*"; }

native() { # BACKEND
    $fixed $out/conform "$1" "$out/$1.events"
}
in_wine() { # BACKEND       one prefix for all runs: making it takes seconds
    mkdir -p build/wine
    (
        export WINEPREFIX=$PWD/build/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
        unset DISPLAY
        flock 9
        wine $out/conform.exe "$1" "$out/$1.events"
        status=$?
        wineserver -k
        exit $status
    ) 9>build/wine/lock
}
trial() { # BACKEND COMMAND...
    local backend=$1 line status
    shift
    "$@" "$backend" >"$out/$backend.log" 2>&1
    status=$?
    line=$(tail -n 1 "$out/$backend.log" | tr -d '\r')
    case $status in
        0) good "conformance of $line" ;;
        77) skip "${line#skip }" ;;
        *)
            bad "conformance of $line (status $status)"
            grep -A 2 '^FAIL' "$out/$backend.log" | head -n 30
            ;;
    esac
}

$CC $options $sanitize -DDX_REACTOR_KQUEUE -Itests/ports/kqueue tests/ports/conform.c tests/ports/kqueue/kqueue_shim.c \
    -o $out/conform -lpthread || bad "conform.c does not compile"
$CC $options $sanitize -DCONFORM_FAULTS tests/ports/conform.c -o $out/conform_faults -lpthread ||
    bad "conform.c does not compile with faults"
rm -f $out/*.events
for backend in ${*:-io_uring epoll simulated kqueue}; do
    if [ "$backend" != iocp ]; then
        trial "$backend" native
    elif ! command -v x86_64-w64-mingw32-gcc >/dev/null; then
        skip "iocp: no x86_64-w64-mingw32-gcc"
    elif ! x86_64-w64-mingw32-gcc $options tests/ports/conform.c -o $out/conform.exe -lws2_32; then
        bad "conform.c does not compile for Windows"
    elif ! command -v wine >/dev/null; then
        skip "iocp: no wine"
    else
        trial iocp in_wine
    fi
done

# The kernel's ring at its worst: tests/reactor_faults.h.
if [ $# = 0 ]; then
    $fixed $out/conform_faults io_uring - - 20 >"$out/faults.log" 2>&1
    status=$?
    line=$(tail -n 1 "$out/faults.log")
    case $status in
        0) good "conformance among $(grep ' faults$' "$out/faults.log") of the ring of $line" ;;
        77) skip "faults of the ring: ${line#skip }" ;;
        *)
            bad "conformance among faults of the ring (status $status)"
            grep -A 2 '^FAIL' "$out/faults.log" | head -n 30
            ;;
    esac
fi

# Without io_uring, as in a container or an emulator: the system's choice is epoll, and says why.
if [ $# = 0 ]; then
    $CC -Wall -Wextra tests/ports/refuse.c -o $out/refuse || bad "refuse.c does not compile"
    for number in ENOSYS EPERM; do
        $fixed $out/refuse $number $out/conform auto - - 20 >"$out/$number.log" 2>&1
        status=$?
        if [ $status = 0 ] && grep -q "^granted: epoll; io_uring refused: io_uring_setup: $number" "$out/$number.log"; then
            good "io_uring refused with $number: epoll, $(tail -n 1 "$out/$number.log")"
        elif [ $status = 77 ]; then
            skip "io_uring refused with $number: no filter is allowed"
        else
            bad "io_uring refused with $number: status $status"
            head -n 5 "$out/$number.log"
        fi
    done
fi

# Every event of every trace is the same, whatever the backend. Two traces need files, which the simulated
# backend has not; one needs a limit of descriptors, which Windows has not.
for backend in ${*:-io_uring simulated kqueue}; do
    [ $backend != epoll ] || continue
    events=$out/$backend.events
    [ -e "$events" ] && [ -e $out/epoll.events ] || continue
    different=$(awk -F ': ' 'NR == FNR { seen[$1] = $0; next } $1 in seen && seen[$1] != $0 { print seen[$1]; print $0 }' \
        $out/epoll.events "$events" | head -n 6)
    if [ -z "$different" ]; then
        good "$(wc -l <"$events") traces of $backend have the events of epoll"
    else
        bad "$backend differs from epoll"
        echo "$different"
    fi
done
echo "conform: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
