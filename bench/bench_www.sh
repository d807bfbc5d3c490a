#!/bin/sh
# Build bench/www/rows.c for WebAssembly and run bench/bench_www.mjs.
# usage: bench_www.sh [ROUNDS | check [chromium|firefox]]      WWW_PEERS='': no peers, and no npm. WWW_SECONDS=n: ends after them (3600)
set -eu
cd "$(dirname "$0")/.."
peers=${WWW_PEERS-solid svelte preact react}
[ "${1:-6}" != check ] || peers=
missing=
for tool in node clang wasm-ld chromium python3 ${peers:+npm}; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
[ -d build/playwright/node_modules/playwright-core ] || missing="$missing playwright-core"
[ -z "$missing" ] || { echo "missing:$missing (make deps-all installs them${peers:+; WWW_PEERS='' needs no npm})" >&2; exit 1; }
say() { [ "${1:-}" = check ] || echo "$(date +%T) $2" >&2; } # check prints results only
say "${1:-6}" "building"
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
if [ -n "$peers" ]; then
    mkdir -p build/bench_www/peers
    cmp -s bench/www/peers/package.json build/bench_www/peers/package.json || {
        say "${1:-6}" "npm installs the peers ($peers), at most 10 minutes"
        cp bench/www/peers/package.json build/bench_www/peers/
        timeout 600 npm install --no-fund --no-audit --loglevel=http --prefix build/bench_www/peers >&2 || {
            rm build/bench_www/peers/package.json
            say "${1:-6}" "npm could not install them: without peers"
        }
    }
    [ ! -f build/bench_www/peers/package.json ] || node bench/www/peers/build.mjs build/bench_www/peers
fi
say "${1:-6}" "measuring, ${1:-6} rounds, at most ${WWW_SECONDS:-3600} s"
timeout "${WWW_SECONDS:-3600}" node bench/bench_www.mjs build/bench_www "${1:-6}" ${2:+"$2"} || {
    status=$?
    [ $status != 124 ] || echo "not finished within ${WWW_SECONDS:-3600} s" >&2
    exit $status
}
[ "${1:-6}" = check ] || cp build/bench_www/www.csv build/bench_www/www_cache.csv bench/results/
