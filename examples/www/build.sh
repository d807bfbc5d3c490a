#!/bin/sh
# Build the page, the runtime, and two versions of its application.
# usage: build.sh FOLDER      FOLDER gets site/ (the page) and app-1.dxs, app-2.dxs
set -eu
mkdir -p "$1/site"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
wasm() { # OUT FLAGS... SOURCE
    file=$1
    shift
    clang --target=wasm32 -std=c11 -Wall -Wextra -DNDEBUG -nostdlib -ffreestanding -fuse-ld=lld -Wl,--no-entry "$@" -o "$file"
}
simd="-O3 -msimd128 -mbulk-memory"
# What the page does not use is left out: making patches, and the decoder of format 4 (the server answers with format 3).
used="-DDX_PATCH_NO_CREATE -DDX_PATCH_NO_STREAMS"
# The core: streams, block patches and hashes. core.wasm also applies deltas and HTIP; browsers with SIMD get core-simd.wasm.
wasm "$out/core-blocks.wasm" -Oz -Wl,--strip-all $used core.c
wasm "$out/core-deltas.wasm" -Oz -Wl,--strip-all $used -DCORE_DELTA core.c
wasm "$out/site/core.wasm" -Oz -Wl,--strip-all $used -DCORE_DELTA -DCORE_HTIP core.c
wasm "$out/site/core-simd.wasm" $simd -Wl,--strip-all $used -DCORE_DELTA -DCORE_HTIP core.c
# The dashboard's rows: on the page's thread, in a worker that shares its memory, and as HTML on a server.
python3 component.py feed_rows.html "$out/feed_rows.h"
rows="-O2 -mbulk-memory -Wl,--strip-all -I$out"
wasm "$out/site/feed.wasm" $rows feed.c
wasm "$out/site/feed-shared.wasm" $rows -matomics -Wl,--shared-memory,--import-memory,--initial-memory=16777216,--max-memory=16777216 feed.c
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Wno-unused-function -I"$out" feed.c -o "$out/feed"
${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -Wno-unused-function -I"$out" live.c -o "$out/live"
${CC:-cc} -std=c11 -O2 -Wall -Wextra pack.c -o "$out/pack"
for version in 1 2; do
    wasm "$out/app-$version.wasm" -O2 -Wl,--no-gc-sections -Wl,--export-dynamic -DAPP_VERSION=$version app.c
    "$out/pack" "$out/app-$version.dxs" $version "$out/app-$version.wasm" card.html
done
"$out/pack" describe >"$out/site/state.json"
../update/build.sh "$out/update"
for file in dx-update.js dx-update.wasm cache.js manifest.js error.js; do cp "$out/update/$file" "$out/site/"; done
cp index.html style.css page.js core.js htip.js teleport.js worker.js feed.html feed.css dashboard.js feed.js feed_worker.js frames.js page_ops.js page_host.js live.html live.js live_page.js "$out/site/"
cp ../clients/dx_hbtp.mjs "$out/site/dx_hbtp.js"
