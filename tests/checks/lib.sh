# Shared by all gates:  . "$(dirname "$0")/lib.sh"
#
# try NAME COMMAND...       a case: good when the command ends with status 0 and prints nothing
# later NAME COMMAND...     a case that `make test` leaves to `make test-all`: slow, and seldom fails where others pass
# verdict NAME REASON       a case that the gate decided itself: good when REASON is empty
# skip NAME REASON          a case that cannot run here
# finish                    prints all cases in the order of their start, then the counts
#
# DX_TIER=native (`make test`): uses only gcc and the few tools that `make test` installs, and g++ if it is there; cases that need
# others are silently left to the other tier. DX_TIER=others (`make test-all`): skips whatever passed in the last `make test`,
# except cases that others are compared with (`base NAME COMMAND...`). Without DX_TIER: everything that can run here.
#
# Gates check the repository they are in, or the folder in DX_TOP (tests/checks/selftest.sh).
set -u
export LC_ALL=C
gate=$(basename "$0" .sh)
checks=$(cd "$(dirname "$0")" && pwd)
top=$(cd "${DX_TOP:-$checks/../..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$top" || exit 1
CC=${CC:-cc}
headers=$(echo dx_*.h)
width=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
cases=0 left=0 # left: to the other tier
mkdir "$work/cases"

# The flags under which no line of ours may cause a warning.
strict="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Wcast-align
        -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wdouble-promotion -Wswitch-enum
        -Wformat=2"
# Those of a C++ project (without the C-only ones).
strict_cxx=$(echo "$strict" | sed 's/-Wstrict-prototypes//; s/-Wmissing-prototypes/-Wmissing-declarations/')
one=$checks/compile/one.c
# For compiling a core or layer when another case already covers the vectors of dx_cas.h, which take seconds.
by_words="-DDX_CAS_LANES=1"

upper() { basename "$1" .h | tr a-z A-Z; } # dx_cas.h -> DX_CAS
version() { # FILE of a header: the macro is the title's and has an entry in the change log
    local macro title
    macro=$(sed -n "s/^#define $(upper "$1")_VERSION *0x\([0-9a-f]*\).*/\1/p" "$1")
    [ ${#macro} = 6 ] || { echo "no version macro 0xMMmmpp"; return; }
    macro=$((16#${macro:0:2})).$((16#${macro:2:2})).$((16#${macro:4:2}))
    title=$(sed -n "1s/^\/\* *$(basename "$1") - v\([0-9.]*\) - .*/\1/p" "$1")
    [ "$title" = "$macro" ] || echo "the macro says $macro, the title '$title'"
    grep -q "^## $macro" CHANGELOG.md || echo "CHANGELOG.md has no entry $macro"
}
tier=${DX_TIER:-} foreign=
has() { # TOOL
    case $tier,$1 in
        native,g++ | native,c++) command -v "$1" >/dev/null 2>&1 || { foreign=yes && return 1; } ;;
        native,gcc | native,"$CC" | native,python3 | native,pkg-config | native,xdelta3 | native,git) ;;
        native,*) foreign=yes && return 1 ;;
    esac
    command -v "$1" >/dev/null 2>&1
}
has_m32() {
    [ "$tier" != native ] || { foreign=yes && return 1; }
    echo 'int main(void){return 0;}' | gcc -m32 -x c - -o "$work/m32" 2>/dev/null
}
accepts() { [ -z "$(: | "$1" "$2" -x "${3:-c}" -fsyntax-only - 2>&1)" ]; } # COMPILER FLAG [LANGUAGE]
# Debian's 32-bit C library keeps its <asm/...> headers in the 64-bit folder.
m32="-m32 -idirafter /usr/include/$(uname -m)-linux-gnu"
including() { echo "-I$top -DHEADER=\"$1\""; } # flags with which tests/checks/compile/one.c includes it
# A C or C++ file: <windows.h> and the sockets' headers first, as a program for Windows has them, then each HEADER.
behind_windows() { # HEADER...
    printf '#define _WIN32_WINNT 0x0A00\n#include <winsock2.h>\n#include <ws2tcpip.h>\n#include <mswsock.h>\n#include <windows.h>\n'
    printf '#define DX_IMPLEMENTATION\n'
    printf '#include "%s"\n' "$@"
}
# A C or C++ file: the implementation of all HEADERs, with what they include. Layers in one file are optimised once with their
# cores, where one file a layer compiles each core twenty times.
together() { # HEADER...
    printf '#define DX_IMPLEMENTATION\n'
    printf '#include "%s"\n' "$@"
}

# SIGNATURE-LINE LENGTH NAME of every function: from the line of its name to the brace that ends it.
functions() { # FILE
    awk '/^[A-Za-z_].*[a-z_0-9] ?\(/ && !/;[ ]*$/ && !/^(typedef|#|extern "C")/ { start = NR; name = $0 }
         /^}/ { if (start) { sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); print start, NR - start, name } start = 0 }
         /^[^{} \t#].*;[ ]*$/ { start = 0 }' "$1"
}
report() { # INDEX NAME REASON-FILE STATUS
    {
        if [ "$4" = 0 ] && [ ! -s "$3" ]; then
            echo "ok   $2"
        else
            [ "$4" = 0 ] || echo "status $4" >>"$3"
            echo "FAIL $2: $(head -n 1 "$3")"
            sed -n '2,12s/^/     /p' "$3"
        fi
    } >"$work/cases/$1"
}
passed_before() { [ "$tier" = others ] && [ -z "${DX_TOP:-}" ] && grep -qsxF "ok   $1" "build/log/$gate.log"; }
try() {
    foreign=
    if passed_before "$1"; then left=$((left + 1)); else base "$@"; fi
}
later() {
    if [ "$tier" = native ]; then foreign= && left=$((left + 1)); else try "$@"; fi
}
base() {
    local name=$1 i
    shift
    printf -v i %06d $((cases += 1))
    while [ "$(jobs -rp | wc -l)" -ge "$width" ]; do wait -n; done
    {
        "$@" >"$work/$i.out" 2>&1 </dev/null
        report "$i" "$name" "$work/$i.out" $?
    } &
}
verdict() {
    local i
    foreign=
    ! passed_before "$1" || return 0
    printf -v i %06d $((cases += 1))
    [ -z "$2" ] || echo "$2" >"$work/$i.out"
    report "$i" "$1" "$work/$i.out" 0
}
skip() {
    local i
    [ -z "$foreign" ] || { foreign= && left=$((left + 1)) && return 0; }
    printf -v i %06d $((cases += 1))
    echo "skip $1: $2" >"$work/cases/$i"
}
finish() {
    local failed
    wait
    if [ "$cases" = 0 ] && [ $left -gt 0 ]; then # nothing is left for this tier
        case $tier in
            native) skip "$gate" "all of it needs what only make test-all installs" ;;
            others) skip "$gate" "all that can run here passed in make test" ;;
        esac
    fi
    cat "$work"/cases/* 2>/dev/null
    failed=$(cat "$work"/cases/* 2>/dev/null | grep -c '^FAIL ')
    echo "$gate: $(cat "$work"/cases/* 2>/dev/null | grep -c '^ok ') passed, $failed failed," \
        "$(cat "$work"/cases/* 2>/dev/null | grep -c '^skip ') skipped"
    [ "$failed" = 0 ] && [ "$cases" -gt 0 ]
    exit
}
