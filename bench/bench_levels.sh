#!/bin/bash
# The levels of dx_patch.h: size of the patch, processor time to make and to apply it, and the memory of both, for each pair
# ID.old, ID.new in a folder.
# usage: bench_levels.sh FOLDER [ID...]      (make bench-levels PAIRS=FOLDER ['ONLY=ID ...'] builds what it needs)
# Writes bench/results/levels.csv; bench_levels.py prints the table in the head of dx_patch.h.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
pairs=${1:-} csv=bench/results/levels.csv
ls "$pairs"/*.old >/dev/null 2>&1 || {
    echo "usage: make bench-levels PAIRS=folder of ID.old and ID.new" >&2
    exit 1
}
shift
made=$(mktemp)
trap 'rm -f "$made"' EXIT
machine=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)
echo "# $machine, load $(cut -d ' ' -f 1 /proc/loadavg), $(cc --version | head -n 1), -O2; processor seconds, least of up to 5" >"$made"
echo "pair,old_bytes,new_bytes,codings,level,patch_bytes,create_memory,apply_memory,create_s,apply_s" >>"$made"
for old in "$pairs"/*.old; do
    id=$(basename "$old" .old)
    [ -f "${old%.old}.new" ] || continue
    [ $# = 0 ] || case " $* " in *" $id "* | *" ${id%%-*} "*) ;; *) continue ;; esac
    build/bench_patch levels "$id" "$old" "${old%.old}.new" >>"$made" || exit 1
done
cp "$made" "$csv"
python3 bench/bench_levels.py "$csv"
