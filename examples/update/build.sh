#!/bin/sh
# Build the folder that npm would publish. usage: build.sh FOLDER
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
# Making patches, those of blocks and the decoder of format 4 are left out: `dxup serve --http` answers with deltas of format 3.
clang --target=wasm32 -std=c11 -Wall -Wextra -DNDEBUG -nostdlib -ffreestanding -fuse-ld=lld -Wl,--no-entry -Wl,--strip-all \
    -Oz -mbulk-memory -DDX_PATCH_NO_CREATE -DDX_PATCH_NO_STREAMS -DDX_PATCH_NO_BLOCKS -DCORE_UPDATE -DCORE_DELTA ../www/core.c -o "$out/dx-update.wasm"
cp package.json dx-update.js dx-update.d.ts cache.js manifest.js error.js node.js node.d.ts worker.js sign.js README.md "$out/"
