#!/bin/sh
# Build bench/www/rows.c for WebAssembly and run bench/bench_www.mjs. usage: bench_www.sh [ROUNDS | check [chromium|firefox]]
set -eu
cd "$(dirname "$0")/.."
for tool in node clang wasm-ld chromium python3; do
    command -v $tool >/dev/null || { echo "missing: $tool (make deps-all)"; exit 1; }
done
[ -d build/playwright/node_modules/playwright-core ] || { echo "missing: playwright-core (make deps-all)"; exit 1; }
mkdir -p build/bench_www
examples/update/build.sh build/bench_www/update
rows() { # NAME FLAGS...
    name=$1
    shift
    clang --target=wasm32 -std=c11 -Wall -Wextra -DNDEBUG -nostdlib -ffreestanding -fuse-ld=lld -Wl,--no-entry -Wl,--strip-all \
        -O2 -mbulk-memory "$@" bench/www/rows.c -o "build/bench_www/$name.wasm"
}
rows dx
python3 examples/www/component.py bench/www/rows.html build/bench_www/rows.h
rows compiled -DROWS_COMPILED -Ibuild/bench_www
if [ "${1:-6}" != check ] && command -v npm >/dev/null; then
    mkdir -p build/bench_www/peers
    cmp -s bench/www/peers/package.json build/bench_www/peers/package.json || {
        cp bench/www/peers/package.json build/bench_www/peers/
        npm install --silent --no-fund --no-audit --prefix build/bench_www/peers || rm build/bench_www/peers/package.json
    }
    [ ! -f build/bench_www/peers/package.json ] || node bench/www/peers/build.mjs build/bench_www/peers
fi
node bench/bench_www.mjs build/bench_www "${1:-6}" ${2:+"$2"}
[ "${1:-6}" = check ] || cp build/bench_www/www.csv build/bench_www/www_cache.csv bench/results/
