#!/bin/bash
# dxecho end to end, on every backend that there is.
# usage: test_dxecho.sh [FILTER...]     DXECHO=path tests that program instead of build/dxecho
set -u
cd "$(dirname "$0")/../.." || exit 1
dxecho=${DXECHO:-build/dxecho}
work=$(mktemp -d)
passed=0 failed=0 skipped=0 pid= limit= end=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
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
verdict() { # NAME PROBLEM
    if [ -z "$2" ]; then
        echo "ok   $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1: $2"
        failed=$((failed + 1))
    fi
}
start() { # OPTIONS...: $pid and $port
    local i
    : >"$work/out"
    (
        [ -z "$limit" ] || ulimit -n "$limit"
        exec "$dxecho" 0 "$@" >"$work/out" 2>"$work/err"
    ) &
    pid=$!
    for i in $(seq 1200); do
        port=$(sed -n 's/^listening on [0-9.]*:\([0-9]*\),.*/\1/p' "$work/out")
        [ -n "$port" ] && return 0
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
finish() { # $end: what is wrong with it
    local status
    kill -TERM $pid 2>/dev/null
    wait $pid
    status=$?
    pid= end=
    [ $status = 0 ] || end="status $status after SIGTERM: $(head -n 5 "$work/err")"
}
run() { # CASE NAME OPTIONS...
    local name=$1.$2 case=$1 problem=
    shift 2
    wanted "$name" || return
    if ! start "$@"; then
        verdict "$name" "did not start: $(cat "$work/err")"
        return
    fi
    problem=$(timeout 400 python3 tests/programs/dxecho_cases.py "$case" "$port" $pid 2>&1) && problem= || problem="${problem:-no answer in time}"
    finish
    problem=$(tail -n 2 <<<"$problem" | tr '\n' ' ')$end
    verdict "$name" "${problem## }"
}
refused() { # STATUS ARGUMENTS...
    local want=$1 got
    shift
    timeout 60 "$dxecho" "$@" >"$work/out" 2>&1 </dev/null
    got=$?
    [ $got = "$want" ] && [ -s "$work/out" ] || echo "dxecho $*: status $got, not $want; "
}

for backend in io_uring epoll; do
    if ! start --backend $backend; then
        echo "skip $backend: $(cat "$work/err")"
        skipped=$((skipped + 1))
        continue
    fi
    finish
    for case in pings_and_calls every_split deep_pipeline a_reader_that_does_not_read half_close bad_frames random_bytes resets many_connections; do
        run $case $backend --backend $backend
    done
    run half_frames $backend --backend $backend --idle 2
    run http $backend --backend $backend --http
    run plain $backend --backend $backend --plain
    run pings_and_calls $backend.spin --backend $backend --spin 200
    for case in deep_pipeline half_close bad_frames many_connections; do
        run $case $backend.workers --backend $backend --workers 3
    done
    run http $backend.workers --backend $backend --workers 2 --http
    limit=40
    run e_16_out_of_descriptors $backend --backend $backend
    limit=
done
wanted bad_arguments && verdict bad_arguments "$(refused 1; refused 1 x; refused 1 65536; refused 1 -1; refused 1 0 --backend; refused 1 0 --backend select
    refused 1 0 --workers 0; refused 1 0 --workers 1025; refused 1 0 --spin -1; refused 1 0 --spin 5 --workers 2; refused 1 0 --bind nowhere; refused 1 0 --http --plain; refused 1 0 extra; refused 1 0 --idle 0; refused 1 0 --idle 1001)"
for first in 1 3; do # a port belongs to one server, however many of its threads listen there
    if wanted a_port_in_use && start --workers $first; then
        problem=$(refused 5 "$port"; refused 5 "$port" --workers 2)
        finish
        verdict a_port_in_use.$first "$problem$end"
    fi
done
echo "test_dxecho: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
