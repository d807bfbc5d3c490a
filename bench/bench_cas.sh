#!/bin/bash
# Measures dx_cas.h beside BLAKE3's own C library, OpenSSL, xxHash, LMDB and SQLite; writes bench/results/cas.csv and prints ratios.
# usage: bench_cas.sh [FOLDER]     the folder is where the stores are made, on the disk to be measured (build/bench_cas.d)
# Peers that are not installed are named and left out (Debian: libllvm15 libssl-dev libxxhash-dev liblmdb-dev libsqlite3-dev).
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
folder=${1:-build/bench_cas.d}
mkdir -p "$folder" build bench/results
flags= libs=
peer() { # NAME HEADER LIBRARY
    if echo "#include <$2>" | $CC -x c -fsyntax-only - 2>/dev/null; then flags="$flags -DHAS_$1" libs="$libs $3"; else echo "not here: $2" >&2; fi
}
peer OPENSSL openssl/evp.h -lcrypto
peer XXHASH xxhash.h ""
peer LMDB lmdb.h -llmdb
peer SQLITE sqlite3.h -lsqlite3
$CC -std=gnu11 -O2 -DNDEBUG -Wall -Wextra -Wno-missing-field-initializers $flags bench/bench_cas.c -o build/bench_cas $libs -ldl -lpthread || exit 1
csv=bench/results/cas.csv
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $($CC --version | head -n 1), -O2; medians of 7 rounds; store on $(stat -f -c %T "$folder")"
    build/bench_cas "$folder" || exit 1
} >$csv
status=$?
rm -rf "$folder"
[ $status = 0 ] || exit 1
awk -F, '/^#/ || /^subject/ { next }
    { if ($2 != last) { own = $3; last = $2; printf "\n%s\n", $2 } printf "  %-34s %12.1f ns %10.1f MB/s  %6.2f\n", $1, $3, $5, $3 / own }' $csv
