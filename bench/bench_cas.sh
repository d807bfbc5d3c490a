#!/bin/bash
# Measures dx_cas.h beside BLAKE3's own C library, OpenSSL, xxHash, LMDB, SQLite, RocksDB and b3sum: bench/results/cas.csv and
# cas.md, in which each aim stands with its bar and what was reached. About four minutes.
# usage: bench_cas.sh [FOLDER]     the folder is where the stores are made, on the disk to be measured (build/bench_cas.d)
# Peers that are missing are installed where that is allowed (Debian's packages), else named and left out.
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
folder=${1:-build/bench_cas.d}
mkdir -p "$folder" build bench/results
. bench/bench_deps.sh
flags= libs=
peer() { # NAME HEADER LIBRARY PACKAGE
    header "$2" || install_package "$4"
    if header "$2"; then flags="$flags -DHAS_$1" libs="$libs $3"; else echo "not here: $2" >&2; fi
}
peer OPENSSL openssl/evp.h -lcrypto libssl-dev
peer XXHASH xxhash.h "" libxxhash-dev
peer LMDB lmdb.h -llmdb liblmdb-dev
peer SQLITE sqlite3.h -lsqlite3 libsqlite3-dev
peer ROCKSDB rocksdb/c.h -lrocksdb librocksdb-dev
[ -e /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1 ] || install_package libllvm15
command -v b3sum >/dev/null || install_package b3sum
$CC -std=gnu11 -O2 -DNDEBUG -Wall -Wextra -Wno-missing-field-initializers $flags bench/bench_cas.c -o build/bench_cas $libs -ldl -lpthread || exit 1
csv=bench/results/cas.csv
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $($CC --version | head -n 1), -O2; medians of 7 rounds; store on $(stat -f -c %T "$folder")"
    build/bench_cas "$folder" || exit 1
} >$csv.new || { rm -f $csv.new; exit 1; }
if command -v b3sum >/dev/null; then # the official program, a file in memory, one thread; the start of the process counts
    head -c 268435456 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 >"$folder/file" 2>/dev/null || head -c 268435456 /dev/urandom >"$folder/file"
    cat "$folder/file" >/dev/null
    for round in 1 2 3 4 5; do
        begin=$(date +%s%N)
        b3sum --num-threads 1 "$folder/file" >/dev/null
        echo $(($(date +%s%N) - begin))
    done | sort -n | awk '{ t[NR] = $1 } END { printf "b3sum (one thread),hash 268435456 B,%.1f,%.1f,%.1f\n", t[3], t[1], 268435456e3 / t[3] }' >>$csv.new
fi
rm -rf "$folder"
mv $csv.new $csv
python3 bench/bench_bars.py cas $csv >bench/results/cas.md || exit 1
sed -n '/^| aim/,$p' bench/results/cas.md
