#!/bin/bash
# dx_patch.h beside other delta tools: sizes, times and memory for every pair ID.old, ID.new in a folder.
# usage: bench_patch.sh FOLDER [CSV]     (make bench-patch PAIRS=FOLDER builds what it needs)
# Writes CSV (default bench/results/patch.csv) and prints tables. Tools that are missing are installed where that works,
# else left out. Every patch of every tool is applied and its result compared.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
pairs=${1:-} csv=${2:-bench/results/patch.csv}
[ -d "$pairs" ] && ls "$pairs"/*.old >/dev/null 2>&1 || {
    echo "usage: make bench-patch PAIRS=folder of ID.old and ID.new" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# >>tools
missing=
for tool in bsdiff xdelta3 zstd; do command -v $tool >/dev/null || missing="$missing $tool"; done
if [ -n "$missing" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null 2>&1
fi
for tool in $missing; do command -v $tool >/dev/null || echo "$tool is not installed and left out (package $tool)" >&2; done
version() { # TOOL
    case $1 in
        bsdiff) dpkg-query -W -f '${Version}' bsdiff 2>/dev/null || echo unknown ;;
        xdelta3) xdelta3 -V 2>&1 | sed -n 's/^Xdelta version \([^,]*\).*/\1/p' ;;
        zstd) zstd --version | grep -o 'v[0-9.]*[0-9]' ;;
        memcpy) ;;
        *) sed -n '1s/.* - v\([0-9.]*\) - .*/\1/p' dx_patch.h ;;
    esac
}

# >>measuring: a tool creates "$work/patch" from $old and $new, and applies it to "$work/out"
row() { # TOOL OPTIONS HOW,PATCH-BYTES,CREATE-S,CREATE-KIB,APPLY-S,APPLY-KIB
    echo "$id,$(stat -L -c %s "$old"),$(stat -L -c %s "$new"),$1,$(version "$1"),$2,$3" >>"$csv"
}
processes() { # TOOL OPTIONS: with the commands in the arrays create and apply
    local made applied
    rm -f "$work/patch" "$work/out"
    made=$(build/bench_patch run "${create[@]}" 2>"$work/err") &&
        applied=$(build/bench_patch run "${apply[@]}" 2>>"$work/err") && cmp -s "$work/out" "$new" || {
        echo "$id: $1 $2 failed: $(head -n 1 "$work/err")" >&2
        return
    }
    row "$1" "$2" "process,$(stat -L -c %s "$work/patch"),${made/ /,},${applied/ /,}"
}
in_memory() { # OPTIONS [all]
    local made
    made=$(build/bench_patch memory "$old" "$new" ${2:-}) || { echo "$id: dx_patch $1 failed" >&2; return; }
    set -- "$1" $made
    row dx_patch "$1" "memory,$2,$3,$(($4 / 1024)),$5,"
    [ "$1" = no-zstd ] || row memcpy "" "memory,,,,$6,"
}
measure() {
    local p=$work/patch out=$work/out long=
    create=(build/dxpatch diff "$old" "$new" "$p" --quiet --no-zstd)
    apply=(build/dxpatch apply "$old" "$p" "$out" --quiet)
    processes dxpatch no-zstd
    unset 'create[6]'
    processes dxpatch default
    in_memory no-zstd
    in_memory default all
    if command -v bsdiff >/dev/null; then
        create=(bsdiff "$old" "$new" "$p")
        apply=(bspatch "$old" "$out" "$p")
        processes bsdiff ""
    fi
    if command -v xdelta3 >/dev/null; then # no file names inside; its source window covers the whole old file
        [ "$(stat -L -c %s "$old")" -gt 67108864 ] && long="-B$(stat -L -c %s "$old")"
        create=(xdelta3 -e -9 -f -A $long -s "$old" "$new" "$p")
        apply=(xdelta3 -d -f $long -s "$old" "$p" "$out")
        processes xdelta3 -9
    fi
    if command -v zstd >/dev/null; then # its window covers both
        long=
        [ "$(cat "$old" "$new" | wc -c)" -gt 134217728 ] && long="--ultra --long=31"
        create=(zstd -q -f -19 $long --patch-from="$old" "$new" -o "$p")
        apply=(zstd -q -f -d $long --patch-from="$old" "$p" -o "$out")
        processes zstd "-19 --patch-from"
    fi
}

echo "pair,old_bytes,new_bytes,tool,version,options,how,patch_bytes,create_s,create_peak_kib,apply_s,apply_peak_kib" >"$csv"
for old in "$pairs"/*.old; do
    new=${old%.old}.new
    [ -f "$new" ] || continue
    id=$(basename "$old" .old)
    echo "$id" >&2
    measure
done

# >>tables
tabulate() { # TITLE COLUMN HOW: one line a pair
    awk -F, -v column="$2" -v how="$3" -v title="$1" '
        function cell(v) { return v == "" ? "-" : v !~ /\./ ? v : sprintf(v < 0.001 ? "%.6f" : v < 0.1 ? "%.4f" : "%.2f", v) }
        FNR > 1 && $7 == how {
            if (!($1 in size)) order[++pairs] = $1
            size[$1] = $3
            name = $4 ($6 == "" ? "" : " " $6)
            if (!(name in seen)) { seen[name] = 1; names[++tools] = name }
            value[$1, name] = $column
            if ($4 != "dxpatch" && $8 != "" && (!($1 in best) || $8 < best[$1])) best[$1] = $8 + 0
        }
        END {
            printf "\n%s\n\n| pair | new |", title
            for (t = 1; t <= tools; t++) printf " %s |", names[t]
            printf column == 8 ? " of the best other |\n|---|---|" : "\n|---|---|"
            for (t = 1; t <= tools; t++) printf "---|"
            print column == 8 ? "---|" : ""
            for (p = 1; p <= pairs; p++) {
                id = order[p]
                printf "| %s | %s |", id, size[id]
                for (t = 1; t <= tools; t++) printf " %s |", cell(value[id, names[t]])
                if (column == 8 && best[id]) {
                    printf " %.3f |", value[id, "dxpatch default"] / best[id]
                    sum += log(value[id, "dxpatch default"] / best[id])
                    count++
                }
                print ""
            }
            if (count) printf "\nGeometric mean of the last column: %.3f\n", exp(sum / count)
        }' "$csv"
}
tabulate "Patch, bytes" 8 process
tabulate "Create, seconds, whole process" 9 process
tabulate "Create, peak resident KiB" 10 process
tabulate "Apply, seconds, whole process" 11 process
tabulate "Apply, seconds, memory to memory" 11 memory
