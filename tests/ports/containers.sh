#!/bin/bash
# A thousand real zip, jar, whl, deb and png files are unpacked and rebuilt byte for byte, and what stays packed is counted.
# usage: containers.sh [COUNT]      Files are those that packages have installed here, and packages that apt has kept or can download.
set -u
cd "$(dirname "$0")/../.." || exit 1
count=${1:-1000}
out=build/containers
mkdir -p $out
total() { # PASSED FAILED SKIPPED
    echo "containers: $1 passed, $2 failed, $3 skipped"
    [ "$2" = 0 ]
    exit
}
for library in zlib zstd lzma; do
    echo "#include <$library.h>" | ${CC:-cc} -x c -fsyntax-only - 2>/dev/null || { echo "skip containers: not installed: $library"; total 0 0 1; }
done
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Wno-unused-function -DDXPATCH_ZLIB -DDXPATCH_LZMA -DVERSIONS_ZSTD_LIBRARY tests/ports/containers.c \
    -o $out/containers -lz -llzma -lzstd || { echo "FAIL containers: it cannot be built"; total 0 1 0; }

# So many of each kind at most, the smaller ones, so that all kinds are there.
for kind in png:0.45 jar:0.3 deb:0.15 zip:0.1 whl:0.1; do
    find / -xdev \( -path /proc -o -path "$PWD" \) -prune -o -type f -name "*.${kind%:*}" -size -1000k -printf '%s %p\n' 2>/dev/null |
        sort -n | uniq -w 12 | awk -v most="$(echo "$count ${kind#*:}" | awk '{ print $1 * $2 }')" '
            { path[NR] = substr($0, index($0, " ") + 1) }
            END { step = NR > most ? NR / most : 1; for (i = 1; i <= NR; i += step) print path[int(i)] }'
done >$out/list
# What is missing comes from packages with thousands of icons.
here=$(wc -l <$out/list)
if [ "$here" -lt "$count" ] && command -v apt-get >/dev/null; then
    (cd $out && apt-get download -q adwaita-icon-theme oxygen-icon-theme >/dev/null 2>&1 && for deb in ./*.deb; do dpkg-deb -x "$deb" icons; done)
    find $out/icons -name '*.png' 2>/dev/null | sort | head -n $((count - here)) >>$out/list
fi
here=$(wc -l <$out/list)
[ "$here" -gt 0 ] || { echo "skip containers: no such files here"; total 0 0 1; }
nice -n 10 $out/containers <$out/list >$out/log
status=$?
cat $out/log
failed=$(grep -c '^FAIL' $out/log)
[ $status -le 1 ] || { echo "FAIL containers: status $status"; failed=$((failed + 1)); }
total $((here - failed)) "$failed" 0
