#!/bin/bash
# dx_patch.h beside other delta tools: sizes, times and memory for every pair ID.old, ID.new in a folder.
# usage: bench_patch.sh [--sizes | --cpu] FOLDER [ID...]      (make bench-patch PAIRS=FOLDER ['ONLY=ID ...'] [SIZES=1 | CPU=1]
#                                                              builds what it needs)
# Writes bench/results/patch.csv; bench_patch.py makes patch.md of it. For a machine that is busy: --sizes measures no times; --cpu
# measures processor time, also of the other levels of dxpatch, and writes bench/results/patch_cpu.csv. Every patch of every tool is
# applied and its result compared. Tools that are missing are left out.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
times=1
case ${1:-} in
    --sizes) times=0; shift ;;
    --cpu) times=cpu; shift ;;
esac
pairs=${1:-} csv=bench/results/patch.csv
[ $times != cpu ] || csv=bench/results/patch_cpu.csv
[ -d "$pairs" ] && ls "$pairs"/*.old >/dev/null 2>&1 || {
    echo "usage: make bench-patch PAIRS=folder of ID.old and ID.new" >&2
    exit 1
}
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
limit=90 # seconds for one patch of one tool
clock=run
levels="1 9"
[ $times != cpu ] || { clock=cpu; levels="1 3 4 5 7 8 9"; } # 2 makes the same patches as 1

# >>tools
for tool in bsdiff xdelta3 zstd rdiff hyperfine; do command -v $tool >/dev/null || echo "$tool is not installed and left out (package $tool)" >&2; done
version() { # TOOL
    case $1 in
        bsdiff) dpkg-query -W -f '${Version}' bsdiff 2>/dev/null || echo unknown ;;
        xdelta3) xdelta3 -V 2>&1 | sed -n 's/^Xdelta version \([^,]*\).*/\1/p' ;;
        zstd) zstd --version | grep -o 'v[0-9.]*[0-9]' ;;
        rdiff) rdiff --version | sed -n '1s/.* \([0-9.]*\)$/\1/p' ;;
        memcpy) ;;
        *) sed -n '1s/.* - v\([0-9.]*\) - .*/\1/p' dx_patch.h ;;
    esac
}

# >>measuring: a tool makes "$work/NAME.patch" from $old and $new, and applies it to "$work/NAME.out"
names=() commands=() rows=()
row() { # TOOL OPTIONS HOW,PATCH-BYTES,CREATE-S,CREATE-KIB,APPLY-S
    echo "$id,$(stat -L -c %s "$old"),$(stat -L -c %s "$new"),$1,$(version "$1"),$2,$3" >>"$csv"
}
tool() { # TOOL OPTIONS APPLY-COMMAND CREATE-COMMAND...      %o old, %n new, %p patch, %r result
    local name=${#names[@]} patch=$work/${#names[@]}.patch out=$work/${#names[@]}.out made apply create
    command -v "${4%% *}" >/dev/null || return
    fill() { local c=${1//%o/$old}; c=${c//%n/$new}; c=${c//%p/$patch}; echo "${c//%r/$out}"; }
    apply=$(fill "$3") create=$(fill "$4")
    made=$(timeout $limit build/bench_patch $clock sh -c "exec $create" 2>"$work/err") &&
        timeout $limit sh -c "$apply" >>"$work/err" 2>&1 && cmp -s "$out" "$new" || {
        echo "$id: $1 $2 failed or took more than $limit s: $(head -n 1 "$work/err")" >&2
        return
    }
    names+=("$name") commands+=("$apply")
    [ $times != 0 ] || made=","
    rows+=("$1|$2|process,$(stat -L -c %s "$patch"),${made/ /,}")
}
finish() { # the appliers, all by hyperfine; then the rows
    local i times_s=()
    if [ $times = cpu ]; then
        for i in "${!rows[@]}"; do times_s[i]=$(build/bench_patch cpu sh -c "exec ${commands[$i]}" 2>/dev/null | cut -d ' ' -f 1); done
    elif [ $times = 1 ] && command -v hyperfine >/dev/null; then
        hyperfine --style none --warmup 1 --min-runs 5 --max-runs 10 --export-csv "$work/apply.csv" "${commands[@]}" >/dev/null 2>&1 &&
            mapfile -t times_s < <(awk -F, 'NR > 1 { print $(NF - 4) }' "$work/apply.csv")
    fi
    for i in "${!rows[@]}"; do
        IFS='|' read -r name options rest <<<"${rows[$i]}"
        row "$name" "$options" "$rest,${times_s[$i]:-}"
    done
    names=() commands=() rows=()
    rm -f "$work"/*.patch "$work"/*.out
}
in_memory() { # KIND [LEVEL]
    local made name="$1${2:+ -$2}"
    [ $times = 1 ] || return
    made=$(timeout $limit build/bench_patch memory "$old" "$new" "$@") || { echo "$id: dx_patch $name failed" >&2; return; }
    set -- $made
    row dx_patch "$name" "memory,$1,$2,$(($3 / 1024)),$4"
    [ "$name" = delta ] && row memcpy "" "memory,,,,$5"
}
measure() {
    local size long= both=
    size=$(stat -L -c %s "$old")
    [ "$size" -gt 67108864 ] && long="-B$size"                    # xdelta3's source window covers the old file
    [ "$(cat "$old" "$new" | wc -c)" -gt 134217727 ] && both="--ultra --long=31" # zstd's covers both
    tool dxpatch "" "build/dxpatch apply %o %p %r --quiet" "build/dxpatch diff %o %n %p --quiet"
    for level in $levels; do tool dxpatch -$level "build/dxpatch apply %o %p %r --quiet" "build/dxpatch diff %o %n %p --quiet -$level"; done
    tool dxpatch blocks "build/dxpatch apply %o %p %r --quiet" "build/dxpatch diff %o %n %p --quiet --kind blocks"
    tool dxpatch vcdiff "build/dxpatch apply %o %p %r --quiet" "build/dxpatch diff %o %n %p --quiet --kind vcdiff"
    tool bsdiff "" "bspatch %o %r %p" "bsdiff %o %n %p"
    tool xdelta3 -9 "xdelta3 -d -f $long -s %o %p %r" "xdelta3 -e -9 -f -A $long -s %o %n %p"
    tool zstd "-3 --patch-from" "zstd -q -f -d --long=31 --patch-from=%o %p -o %r" "zstd -q -f -3 $both --patch-from=%o %n -o %p"
    tool zstd "-19 --patch-from" "zstd -q -f -d --long=31 --patch-from=%o %p -o %r" "zstd -q -f -19 $both --patch-from=%o %n -o %p"
    tool rdiff "" "rdiff -f patch %o %p %r" "sh -c 'rdiff -f signature %o %p.sig && rdiff -f delta %p.sig %n %p'"
    finish
    in_memory delta
    in_memory delta 1
    in_memory delta 9
    in_memory blocks
}

echo "pair,old_bytes,new_bytes,tool,version,options,how,patch_bytes,create_s,create_peak_kib,apply_s" >"$csv"
mkdir "$work/pairs"
[ -e "$pairs/p20-thumb2.old" ] || bench/firmware_pair.sh "$work/pairs" 2>/dev/null || echo "no firmware pair" >&2
for old in "$pairs"/*.old "$work"/pairs/*.old; do
    new=${old%.old}.new id=$(basename "$old" .old)
    [ -f "$new" ] || continue
    [ $# = 0 ] || case " $* " in *" $id "* | *" ${id%%-*} "*) ;; *) continue ;; esac
    echo "$id" >&2
    measure
done
[ $times = cpu ] || { python3 bench/bench_patch.py "$csv" bench/results/patch.md && cat bench/results/patch.md; }
