#!/bin/bash
# Runs the suites of tests/suites.txt and adds up their counts.
# usage: run.sh TIER            those of a tier (test, all, check)       JOBS=n at a time, SUITES=another list
#        run.sh --list TIER     prints their names
#
# The last line of a suite's output is "N passed, N failed, N skipped". A suite without such a line, a crash, a run beyond
# its time limit, and skipped cases without a line "skip WHAT: REASON" for each are failures. Output goes to
# build/log/NAME.log (LOGS: another folder); that of failures is shown, with CI=true everything. A failed suite runs again,
# to show how it fails, but still counts as failed. Where its name is marked unsteady ("~", see tests/suites.txt), the failed
# cases run again when all other suites have ended, alone, and count as passed if they pass then. The summary lists unsteady
# suites, skipped cases with reasons, and failures; the last line is the total; status 0 if nothing failed.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # a suite that calls make is no part of the make that called this
cd "$(dirname "$0")/.." || exit 1

# Older sanitizers fail with as much address randomisation as newer kernels have.
FIXED=$(setarch -R true 2>/dev/null && echo setarch -R)
export FIXED

members() { # SET...       the names of a set, one a line
    local word names= out=
    for word in "$@"; do
        case $word in
            units) names+=" $(basename -s .c tests/{cores,layers,programs}/test_*.c | sed 's/^test_//' | sort | tr '\n' ' ')" ;;
            gates) names+=" $(basename -s .sh tests/checks/*.sh | grep -vxE 'lib|size' | tr '\n' ' ')" ;;
            -*) out+=" ${word#-} " ;;
            *) names+=" $word" ;;
        esac
    done
    for word in $names; do
        [[ $out == *" $word "* ]] || echo "$word"
    done
}
lacks() { # LIBRARY...      those that are not installed
    local library
    for library in "$@"; do
        [ "$library" != zstd ] || [ "${ZSTD:-1}" != 0 ] || { echo "$library"; continue; }
        echo "#include <$library.h>" | ${CC:-cc} -x c -fsyntax-only - 2>/dev/null || echo "$library"
    done
}
suites() { # TIER      its suites, each as a line NAME SECONDS COMMAND
    local tier name seconds command list missing member
    while read -r tier name seconds command; do
        [ "$tier" = "$1" ] || continue
        if [[ $command == "needs "* ]]; then
            list=${command%%:*} command=${command#*: }
            missing=$(lacks ${list#needs } | paste -sd ' ')
            [ -z "$missing" ] || command="echo 'skip ${name#[~!]}: not installed: $missing'; echo '${name#[~!]}: 0 passed, 0 failed, 1 skipped'"
        fi
        if [[ $command == "each "* ]]; then
            list=${command%%:*} command=${command#*: }
            for member in $(members ${list#each }); do
                echo "${name//\{\}/$member} $seconds ${command//\{\}/$member}"
            done
        else
            echo "$name $seconds $command"
        fi
    done < <(grep -v '^#' "${SUITES:-tests/suites.txt}")
}

if [ "${1:-}" = --list ]; then
    suites "$2" | sed 's/^[!~]//; s/ .*//; s/^/    /'
    exit
fi
mapfile -t lines < <(suites "${1:-test}")
[ ${#lines[@]} -gt 0 ] || { echo "no suites: ${1:-test}" >&2; exit 1; }
logs=${LOGS:-build/log}
rm -rf "$logs"
mkdir -p "$logs"
# Two more than there are processors: servers, clients and timers mostly wait.
jobs=${JOBS:-$(($(getconf _NPROCESSORS_ONLN) + 2))}
TIMEFORMAT='%R %U %S'

attempt() { # NAME SECONDS COMMAND LOG      runs it once: sets passed, failed, skipped, and status
    local log=$4 counts reasons note=
    timeout -k 5 "$2" bash -c "$3" >"$log" 2>&1 </dev/null
    status=$?
    counts=$(tail -n 1 "$log" | grep -aoE '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' | tr -dc '0-9 \n')
    [ -n "$counts" ] || note="no counts at its end"
    [ $status != 124 ] || note="stopped after $2 seconds"
    read -r passed failed skipped <<<"${counts:-0 0 0}"
    [ $((passed + failed + skipped)) != 0 ] || note="nothing was tested"
    reasons=$(grep -ac '^skip .*: ' "$log")
    [ "$skipped" -le "$reasons" ] || note="$skipped skipped, and the reasons of $reasons"
    if [ "$failed" = 0 ] && { [ $status != 0 ] || [ -n "$note" ]; }; then
        failed=1
        echo "FAIL $1: status $status${note:+, $note}" >>"$log"
    elif [ "$failed" != 0 ] && ! grep -aq '^FAIL ' "$log"; then
        echo "FAIL $1: counts $failed failed cases, and names none" >>"$log" # so that the summary names the suite
    fi
}
suite() { # NAME SECONDS COMMAND UNSTEADY      UNSTEADY: what fails is repeated at the end
    local log=$logs/$1.log passed failed skipped status first again=
    { time attempt "$1" "$2" "$3" "$log"; } 2>"$logs/$1.time"
    if [ "$failed" != 0 ] && [ -n "$4" ]; then
        again=" (is repeated at the end)"
        echo "$1 $2 $3" >>"$logs/unsteady"
    elif [ "$failed" != 0 ] && [ $status != 124 ] && [ $status != 137 ]; then
        first="$passed $failed $skipped"
        attempt "$1" "$2" "$3" "$logs/$1.again"
        again=" (fails when repeated)"
        [ "$failed" != 0 ] || again=" (passed when repeated)"
        read -r passed failed skipped <<<"$first"
    fi
    record "$1" "$again"
}
repeat() { # NAME SECONDS COMMAND      the failed cases of an unsteady suite; all of it if that is not known
    local log=$logs/$1.log passed failed skipped status before after again=" (unsteady: passed when repeated)"
    read -r before failed after <"$logs/$1.counts"
    mv "$log" "$logs/$1.unsteady"
    DX_CASES=$(failed_cases "$logs/$1.unsteady")
    export DX_CASES
    { time attempt "$1" "$2" "$3" "$log"; } 2>"$logs/$1.time"
    if [ -n "$DX_CASES" ] && [ $((passed + failed + skipped)) = "$(wc -w <<<"$DX_CASES")" ]; then
        passed=$((before + passed))
        skipped=$((after + skipped))
        grep -a '^skip ' "$logs/$1.unsteady" >>"$log"
    fi
    unset DX_CASES
    [ "$failed" = 0 ] || again=" (fails when repeated)"
    record "$1" "$again"
}
failed_cases() { # LOG      their names; nothing if the suite itself failed, or names none
    if grep -aqE '^FAIL [^ ]+: (status|counts) ' "$1"; then return; fi
    grep -a '^FAIL ' "$1" | sed 's/^FAIL *//; s/[ :].*//' | sort -u | paste -sd ' '
}
record() { # NAME NOTE      writes the files of its result and shows them
    local log=$logs/$1.log
    echo "$passed $failed $skipped" >"$logs/$1.counts"
    awk -v name="$1" '{ printf "%.0f %.0f %s\n", $1, $2 + $3, name }' "$logs/$1.time" >"$logs/$1.seconds"
    {
        [ -z "${CI:-}" ] || sed 's/^/    /' "$log"
        printf '%-4s %-22s %5d passed %3d failed %3d skipped %4d s%s\n' "$([ "$failed" = 0 ] && echo ok || echo FAIL)" \
            "$1" "$passed" "$failed" "$skipped" "$(cut -d ' ' -f 1 "$logs/$1.seconds")" "$2"
        [ -z "${CI:-}" ] || other_run "the second time:" "$logs/$1.again"
        if [ "$failed" != 0 ] && [ -z "${CI:-}" ]; then
            { grep -a -A 12 '^FAIL ' "$log" | head -n 60; echo "..."; tail -n 5 "$log"; } | sed 's/^/    /'
        fi
    } >"$logs/$1.shown"
    cat "$logs/$1.shown" # in one piece, whatever else is running
}
other_run() { # TITLE LOG      if there was one
    [ -s "$2" ] || return 0
    echo "    $1"
    sed 's/^/    | /' "$2"
}

for line in "${lines[@]}"; do
    read -r name seconds command <<<"$line"
    unsteady=
    case $name in
        !*) wait; suite "${name#!}" "$seconds" "$command" ""; continue ;;
        "~"*) unsteady=yes ;;
    esac
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    suite "${name#\~}" "$seconds" "$command" "$unsteady" &
done
wait
if [ -e "$logs/unsteady" ]; then
    while read -r name seconds command; do
        repeat "$name" "$seconds" "$command" </dev/null
    done <"$logs/unsteady"
fi

cd "$logs" || exit 1
# -a: a line may quote another program's output. Control characters never reach the terminal.
quoted() { # WORD LOG...      the lines that begin with the word, each after the name of its suite
    grep -aHs "^$1 " -- "${@:2}" | tr -d '\000-\010\013-\037\177' | sed "s/\.[a-z]*:$1 /: /; s/^/    /" | sort | uniq
}
if compgen -G '*.unsteady' >/dev/null; then
    echo "unsteady: failed while other suites ran, then repeated alone"
    quoted FAIL *.unsteady
fi
if grep -aqs '^skip ' -- *.log; then
    echo "skipped:"
    quoted skip *.log
fi
echo "the slowest, in seconds (of processors): $(sort -rn -- *.seconds | head -n 10 |
    awk '{ printf "%s%s %s (%s)", NR == 1 ? "" : ", ", $3, $1, $2 }')"
# Last, because often only the end of a long output is kept.
quoted FAIL *.log >failed
if [ -s failed ]; then
    echo "failed:"
    cat failed
fi
cat -- *.counts | awk '{ p += $1; f += $2; s += $3 }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' | tee total
exit "${PIPESTATUS[1]}"
