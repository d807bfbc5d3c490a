#!/bin/bash
# Run a property of a test suite as a fuzz target: libFuzzer makes the property's choices.
# usage: tests/fuzz.sh                          list the targets: properties whose names begin with fuzz_
#        tests/fuzz.sh TARGET [SECONDS] [OPTION...]   60 seconds, or 0 for ever; options are libFuzzer's
#        tests/fuzz.sh keep TARGET [COUNT]      put the COUNT inputs with the best coverage into tests/corpus
# Every interesting input stays in build/fuzz/TARGET, from which the next run continues. A finding is minimised and
# put into tests/corpus as TARGET-HASH.fuzz, which the suite then replays.
# Needs clang and its runtime (Debian: clang, libclang-rt-14-dev).
set -u
cd "$(dirname "$0")/.." || exit 1
targets() { sed -nE 's/^DX_PROPERTY\((fuzz_[a-z0-9_]*),.*/\1/p' "$@"; }
file_of() { grep -lE "^DX_PROPERTY\($1," tests/*/test_*.c; }
build() { # TARGET
    local libraries=
    case $(file_of "$1") in # the only suite that needs any
    */test_container.c) libraries="-DCONTAINERS_ZLIB -DVERSIONS_ZSTD_LIBRARY -DCONTAINERS_LZMA -lz -lzstd -llzma" ;;
    esac
    mkdir -p "build/fuzz/$1"
    "${CLANG:-clang}" -std=c11 -O1 -g -Wall -Wextra -Wno-unused-function -fsanitize=fuzzer,address,undefined -fno-sanitize-coverage=trace-cmp \
        -fno-sanitize-recover=undefined -DDX_TEST_FUZZ="$1" "$(file_of "$1")" -o "build/fuzz/$1.run" $libraries -lpthread
}
hash_of() { sha256sum <"$1" | cut -c 1-8; }

if [ $# = 0 ]; then
    targets tests/*/test_*.c
    exit
fi
if [ "$1" = keep ]; then
    target=$2 count=${3:-8}
    build "$target" || exit 1
    rm -rf "build/fuzz/$target.small"
    mkdir "build/fuzz/$target.small"
    "build/fuzz/$target.run" -merge=1 "build/fuzz/$target.small" "build/fuzz/$target" 2>/dev/null || exit 1
    # Of all sizes up to 512 bytes alike.
    find "build/fuzz/$target.small" -type f -size +0 -size -513c -printf '%s %p\n' | sort -n >"build/fuzz/$target.sizes"
    all=$(wc -l <"build/fuzz/$target.sizes")
    for ((i = 1; i <= count && i <= all; i++)); do
        path=$(sed -n "$((all * i / (count < all ? count : all)))s/^[0-9]* //p" "build/fuzz/$target.sizes")
        cp "$path" "tests/corpus/$target-$(hash_of "$path").fuzz"
    done
    du -bch tests/corpus/"$target"-*.fuzz | tail -n 1
    exit
fi
target=$1 seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
[ -n "$(file_of "$target")" ] || { echo "fuzz.sh: no target $target" >&2; exit 1; }
build "$target" || exit 1
if "build/fuzz/$target.run" -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$target.found-" "$@" "build/fuzz/$target" >"build/fuzz/$target.log" 2>&1; then
    echo "$target: $(sed -nE 's/^stat::number_of_executed_units: *//p' "build/fuzz/$target.log") runs, nothing found;" \
        "$(sed -nE 's/.*(cov: [0-9]+).*/\1/p' "build/fuzz/$target.log" | tail -n 1)"
    exit 0
fi
grep -m 3 -E 'ERROR|runtime error|tests/[a-z]*/test_' "build/fuzz/$target.log"
for found in build/fuzz/"$target".found-*; do
    [ -f "$found" ] || continue
    "build/fuzz/$target.run" -minimize_crash=1 -runs=20000 -exact_artifact_path="$found.min" "$found" >/dev/null 2>&1
    [ -f "$found.min" ] && mv "$found.min" "$found"
    cp "$found" "tests/corpus/$target-$(hash_of "$found").fuzz"
    echo "$target: tests/corpus/$target-$(hash_of "$found").fuzz"
    rm "$found"
done
exit 1
