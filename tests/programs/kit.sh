#!/bin/bash
# Shared by the tests of dxup, which source it. They run cases (shell functions), each in a folder of its own, and end with
# `finish`.
#        DXUP=path                     tests that program instead of build/dxup
top=$PWD
dxup=$top/${DXUP:-build/dxup}
sanitized= # a program that is several times slower, with which large contents show nothing more
case $dxup in */asan/*) sanitized=1 ;; esac
work=$(mktemp -d)
passed=0 failed=0 skipped=0 server= proxy=
trap 'stop_proxy; stop_server; umount "$work"/mnt* 2>/dev/null; rm -rf "$work"' EXIT

fail() {
    echo "     ${BASH_LINENO[0]}: $*"
    bad=1
}
expect() { # STATUS COMMAND...    the command ends with that status; its output is in $out
    local want=$1 got
    shift
    out=$("$@" 2>&1 </dev/null)
    got=$?
    [ $got = "$want" ] || {
        echo "     ${BASH_LINENO[0]}: status $got instead of $want: $*"
        echo "$out" | head -5 | sed 's/^/       /'
        bad=1
    }
}
says() { case "$out" in *"$1"*) ;; *) echo "     ${BASH_LINENO[0]}: no '$1' in: $out"; bad=1 ;; esac; }
says_file() { grep -q "$2" "$1" || { echo "     ${BASH_LINENO[0]}: no '$2' in $1: $(cat "$1")"; bad=1; }; }
same() { cmp -s "$1" "$2" || { echo "     ${BASH_LINENO[0]}: $1 and $2 differ"; bad=1; }; }
same_tree() {
    diff -r --no-dereference "$1" "$2" >/dev/null || { echo "     ${BASH_LINENO[0]}: $1 and $2 differ"; bad=1; }
    [ "$(cd "$1" && find . -printf '%P %m %y %l\n' | sort)" = "$(cd "$2" && find . -printf '%P %m %y %l\n' | sort)" ] ||
        { echo "     ${BASH_LINENO[0]}: modes or links of $1 and $2 differ"; bad=1; }
}
start_server() { # STORE [ARGS...]      sets $server and $address
    local i
    rm -f "$work/serve.log" # or the previous server's address would be read from it
    "$dxup" serve "$1" --listen 127.0.0.1:0 "${@:2}" >"$work/serve.log" 2>&1 </dev/null &
    server=$!
    for i in $(seq 1200); do
        address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log" 2>/dev/null)
        [ -n "$address" ] && return
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    fail "the server did not start: $(cat "$work/serve.log")"
}
stop_server() {
    [ -n "$server" ] || return
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server_status=$?
    server=
}
start_proxy() { # BYTES FIRST COUNT, or streams      between client and server; sets $proxy and $address
    local i
    rm -f proxy.log # or the previous proxy's address would be read from it
    python3 "$top/tests/programs/dxup_proxy.py" "$address" "$@" >proxy.log 2>&1 &
    proxy=$!
    for i in $(seq 1200); do
        address=$(sed -n 's/^listening on //p' proxy.log 2>/dev/null)
        [ -n "$address" ] && return
        sleep 0.05
    done
    fail "the proxy did not start: $(cat proxy.log)"
}
stop_proxy() {
    [ -n "$proxy" ] || return
    kill $proxy 2>/dev/null
    wait $proxy 2>/dev/null
    proxy=
}
get() { echo "$out" | tr ' ' '\n' | sed -n "s/^$1=//p"; } # a field of --report
. tests/seeded.sh
skip() {
    echo "skip $name: $*"
    bad=skip
}
ticks() { # of the processors, hundredths of a second: what children have used that have ended
    local fields
    read -ra fields </proc/$$/stat
    ticks=$((fields[15] + fields[16]))
}
run() {
    local began began_ticks took
    name=$1
    wanted "$name" || return
    bad=0
    ticks
    began=${EPOCHREALTIME/[.,]/} began_ticks=$ticks
    dir=$work/$name
    mkdir "$dir"
    cd "$dir" || exit 1
    seeded "$name"
    "$name"
    stop_proxy
    stop_server
    cd "$top" || exit 1
    umount "$work"/mnt* 2>/dev/null
    rm -rf "$dir"
    ticks
    took=$(((${EPOCHREALTIME/[.,]/} - began) / 100000)) # tenths of a second
    took="($((took / 10)).$((took % 10)) s, $(((ticks - began_ticks) / 100)).$(((ticks - began_ticks) / 10 % 10)) s of processor time)"
    case $bad in
        0) echo "ok   $name $took"; passed=$((passed + 1)) ;;
        skip) skipped=$((skipped + 1)) ;;
        *) echo "FAIL $name $took"; failed=$((failed + 1)) ;;
    esac
}
filters=("$@")
wanted() { # CASE      -CASE: not that one. DX_CASES: the whole names of those that run.sh repeats
    local f only=
    case " ${DX_CASES:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
    for f in "${filters[@]}"; do
        case $f in -*) case $1 in *"${f#-}"*) return 1 ;; esac ;; *) only=yes ;; esac
    done
    [ -n "$only" ] || return 0
    for f in "${filters[@]}"; do
        case $f in -*) ;; *) case $1 in *"$f"*) return 0 ;; esac ;; esac
    done
    return 1
}

make_versions() { # two files of 300 kB that share most, in old and new
    bytes 300000 >old
    { head -c 100000 old; echo "inserted here"; tail -c +100001 old | head -c 150000; bytes 500; tail -c 50000 old; } >new
}
make_tree() { # DIR
    mkdir -p "$1/sub/deep" "$1/empty"
    bytes 50000 >"$1/data"
    echo 'int main(void){}' >"$1/sub/a.c"
    : >"$1/sub/nothing"
    printf 'x' >"$1/sub-file"
    ln -s ../data "$1/sub/link"
    ln -s /nowhere "$1/dangling"
    chmod 755 "$1/sub/a.c"
    chmod 555 "$1/sub/deep"
    chmod 600 "$1/data"
}
finish() { # the counts, and the status
    echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
}
