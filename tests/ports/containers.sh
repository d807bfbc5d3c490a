#!/bin/bash
# Real zip, jar, whl, deb and png files are unpacked and rebuilt byte for byte, and what stays packed is counted.
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
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Wno-unused-function -DCONTAINERS_ZLIB -DCONTAINERS_LZMA -DVERSIONS_ZSTD_LIBRARY tests/ports/containers.c programs/common/os_posix.c \
    -o $out/containers -lz -llzma -lzstd || { echo "FAIL containers: it cannot be built"; total 0 1 0; }

# At most this many of each kind, smaller ones first, so that all kinds are there.
find / -xdev \( -path /proc -o -path "$PWD" \) -prune -o -type f -size -1000k -regextype egrep -regex '.*\.(png|jar|deb|zip|whl)' \
    -printf '%s %p\n' 2>/dev/null | sort -n >$out/found
for kind in png:0.45 jar:0.3 deb:0.15 zip:0.1 whl:0.1; do
    grep "\.${kind%:*}\$" $out/found | uniq -w 12 | awk -v most="$(echo "$count ${kind#*:}" | awk '{ print $1 * $2 }')" '
        { path[NR] = substr($0, index($0, " ") + 1) }
        END { step = NR > most ? NR / most : 1; for (i = 1; i <= NR; i += step) print path[int(i)] }'
done >$out/list
# Missing kinds come from packages with thousands of icons.
here=$(wc -l <$out/list)
if [ "$here" -lt "$count" ] && command -v apt-get >/dev/null; then
    (cd $out && apt-get download -q adwaita-icon-theme oxygen-icon-theme >/dev/null 2>&1 && for deb in ./*.deb; do dpkg-deb -x "$deb" icons; done)
    find $out/icons -name '*.png' 2>/dev/null | sort | head -n $((count - here)) >>$out/list
fi
# One tar, packed by the real tools; those that are not installed are listed.
skipped=0
# shellcheck disable=SC2016
compress() { # NAME TOOL COMMAND...
    local name=$1 tool=$2
    shift 2
    command -v "$tool" >/dev/null || { echo "skip containers: no $tool here for $name"; skipped=$((skipped + 1)); return; }
    "$@" <$out/tools.tar >$out/tools.$name.gz && echo "$PWD/$out/tools.$name.gz" >>$out/list
}
tar --sort=name -cf $out/tools.tar programs/dxpatch programs/containers
for level in 1 2 3 4 5 6 7 8 9; do
    compress gnu$level gzip gzip -n -$level
    compress pigz$level pigz pigz -n -$level
    compress node$level node node -e 'const d = require("fs").readFileSync(0)
        process.stdout.write(require("zlib").gzipSync(d, {level: +process.argv[1]}))' $level
    compress python$level python3 python3 -c 'import gzip, sys
sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), int(sys.argv[1])))' $level
    compress libdeflate$level libdeflate-gzip libdeflate-gzip -$level
done
compress rsyncable gzip gzip -n --rsyncable
compress busybox busybox busybox gzip
if command -v go >/dev/null; then
    mkdir -p $out/go
    cat >$out/go/z.go <<'END'
package main

import (
	"compress/gzip"
	"io"
	"os"
	"strconv"
)

func main() {
	level, _ := strconv.Atoi(os.Args[1])
	w, _ := gzip.NewWriterLevel(os.Stdout, level)
	io.Copy(w, os.Stdin)
	w.Close()
}
END
    (cd $out/go && GO111MODULE=off GOCACHE="$PWD/cache" go build -o z z.go) || total 0 1 0
fi
for level in 1 2 3 4 5 6 7 8 9; do compress go$level go $out/go/z $level; done
compress gohuffman go $out/go/z -2
compress pigz_one pigz pigz -n -p 1
compress pigz_rsyncable pigz pigz -n --rsyncable
# Encoders whose match search differs from zlib's, and which are slow: a shorter input.
head -c 60000 $out/tools.tar >$out/tools.head && mv $out/tools.tar $out/tools.whole && mv $out/tools.head $out/tools.tar
compress zopfli zopfli zopfli -c --i1 /dev/stdin
compress pigz11 pigz pigz -n -11
mv $out/tools.whole $out/tools.tar
here=$(wc -l <$out/list)
[ "$here" -gt 0 ] || { echo "skip containers: no such files here"; total 0 0 1; }
nice -n 10 $out/containers <$out/list >$out/log
status=$?
cat $out/log
failed=$(grep -c '^FAIL' $out/log)
[ $status -le 1 ] || { echo "FAIL containers: status $status"; failed=$((failed + 1)); }
# The limit for the correction of a tool's stream, in thousandths of it; a tar of 300 KB has more expensive ones than a large one.
while read -r _ path parts; do
    case ${path##*/tools.} in
        libdeflate* | zopfli* | pigz11*) most=160 ;;
        pigz[123].*) most=60 ;; # forgets what it has left out whenever a block ends
        *) most=8 ;;
    esac
    awk "BEGIN { exit !($parts > $most) }" || continue
    echo "FAIL containers: the correction of ${path##*/} is $parts thousandths of it, more than $most"
    failed=$((failed + 1))
done < <(grep '^correction .*/tools\.' $out/log)
# None of the tools' streams may stay packed.
grep -q '^gz .* 0 stay packed' $out/log || { echo "FAIL containers: a tool's stream stays packed"; failed=$((failed + 1)); }
total $((here - failed)) "$failed" "$skipped"
