#!/bin/bash
# What a first copy and an update cost on the wire, both ways: dxup beside rsync -z, zsync, casync and restic.
# usage: bench_update.sh [OLD NEW]...      pairs of files or directories; without any: made ones of 1, 10 and 100 MB, and a sparse one
# Prints: what, tool, bytes of the first copy, bytes of the update. For pairs it writes these into bench/results/update.csv, too.
# zsync fetches ranges of the compressed file (zsyncmake -z). Of casync and restic, which copy to a store, it counts what the
# store grows by. Bytes do not depend on how busy the machine is.
set -eu
cd "$(dirname "$0")/.."
dxup=$PWD/build/dxup ranges=$PWD/bench/range_server.py csv=/dev/null
[ $# = 0 ] || csv=$PWD/bench/results/update.csv
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server" 2>/dev/null; } || true; server=; }
trap 'stop; rm -rf "$work"' EXIT
cd "$work"

made() { # MEGABYTES     old and new: half text, half noise; in new something has changed 20 times
    python3 -I -S -c '
import random, sys
r = random.Random(1)
size = int(sys.argv[1]) * 500000
text = b"".join(b"line %d of a file, %d\n" % (i, r.randrange(10**9)) for i in range(size // 30))
old = text + r.randbytes(size)
places = sorted(r.randrange(len(old)) for _ in range(20))
new = b""
last = 0
for p in places:
    new += old[last:p] + b"something else"
    last = p + r.choice([0, 14, 500])
open("old", "wb").write(old)
open("new", "wb").write(new + old[last:])' "$1"
}
wire() { sed -n 's/.* wire=\([0-9]*\) .*/\1/p'; }
sum() { sed -n 's/^Total bytes \(sent\|received\): //p' | tr -d ,. | awk '{ s += $1 } END { print s }'; }
row() { # WHAT TOOL FIRST UPDATE
    printf '%-28s %-10s %14s %14s\n' "$@"
    case $3 in [0-9]*) echo "$1,$2,$size,$3,$4" >>"$csv" ;; esac
}
zsync_bytes() { # OLD NEW      control file, requests and responses
    local port pid
    cp "$2" served
    rm -f served.zsync served.out served.log served.gz
    python3 "$ranges" served.gz >served.log 2>/dev/null &
    pid=$!
    for _ in $(seq 200); do [ -s served.log ] && break; sleep 0.05; done
    port=$(head -n 1 served.log)
    zsyncmake -z -u "http://127.0.0.1:$port/served.gz" -o served.zsync served 2>/dev/null
    timeout 60 zsync -q -i "$1" -o served.out served.zsync >/dev/null 2>&1
    kill $pid
    wait $pid 2>/dev/null || true
    cmp -s served.out "$2" && echo $(($(stat -c %s served.zsync) + $(tail -n 1 served.log)))
}

measure() { # NAME SOURCE-OLD SOURCE-NEW      files or directories
    rm -rf store out out.rsync
    size=$(du -sb --apparent-size "$3" | cut -f1)
    "$dxup" publish store t "$2" >/dev/null 2>&1
    "$dxup" serve store --listen 127.0.0.1:0 >log 2>&1 &
    server=$!
    for _ in $(seq 200); do grep -q '^listening' log && break; sleep 0.05; done
    local address first update slash=
    [ ! -d "$2" ] || slash=/
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' log)
    first=$("$dxup" pull "$address" t out --report | wire)
    "$dxup" publish store t "$3" >/dev/null 2>&1
    update=$("$dxup" pull "$address" t out --report | wire)
    diff -r "$3" out >/dev/null || { echo "dxup: $1 differs"; exit 1; }
    stop
    row "$1" dxup "$first" "$update"
    command -v rsync >/dev/null || { row "$1" 'rsync -z' missing missing; return; }
    first=$(rsync -aSz --no-whole-file --stats "$2$slash" out.rsync | sum)
    update=$(rsync -aSz --no-whole-file --checksum --stats "$3$slash" out.rsync | sum)
    row "$1" 'rsync -z' "$first" "$update"
    if [ -f "$2" ] && command -v zsync >/dev/null; then row "$1" zsync "$(zsync_bytes /dev/null "$3")" "$(zsync_bytes "$2" "$3")"; fi
    if command -v restic >/dev/null; then
        rm -rf restic && mkdir restic in
        export RESTIC_PASSWORD=x RESTIC_REPOSITORY=$work/restic RESTIC_CACHE_DIR=$work/cache
        restic init -q --repository-version 2
        cp -R "$2" in/it && restic backup -q --compression max in && first=$(du -sb restic | cut -f1)
        rm -rf in/it && cp -R "$3" in/it && restic backup -q --compression max in && update=$(($(du -sb restic | cut -f1) - first))
        rm -rf in
        row "$1" restic "$first" "$update"
    fi
    command -v casync >/dev/null || { row "$1" casync missing missing; return; }
    rm -rf chunks
    local kind=blob index=caibx
    [ ! -d "$2" ] || { kind=tree && index=caidx; }
    casync make --store=chunks "old.$index" "$2" >/dev/null
    first=$(($(du -sb chunks | cut -f1) + $(stat -c %s "old.$index")))
    casync make --store=chunks "new.$index" "$3" >/dev/null
    row "$1" casync "$first" $(($(du -sb chunks | cut -f1) - first + $(stat -c %s "old.$index") + $(stat -c %s "new.$index")))
}
both() { # NAME      old and new, alone and in a directory
    measure "$1" old new
    rm -rf a b
    mkdir a b
    cp --sparse=always old a/f
    cp --sparse=always new b/f
    measure "$1 in a directory" a b
}

row what tool 'first copy' update
if [ $# -gt 0 ]; then
    for tool in rsync zsync restic casync; do ! command -v $tool >/dev/null || echo "# $tool $(dpkg-query -W -f '${Version}' $tool 2>/dev/null)"; done >"$csv"
    echo "what,tool,size,first_bytes,update_bytes" >>"$csv"
    while [ $# -gt 1 ]; do
        measure "$(basename "${2%.new}")" "$1" "$2"
        shift 2
    done
    exit
fi
for megabytes in 1 10 100; do
    made $megabytes
    both "$megabytes MB"
done
made 10
truncate -s 1G old new
both 'sparse, 1 GiB'
