#!/bin/sh
# Build the page, publish it and the first version of its application, serve both.
# usage: run.sh [ADDR:PORT]
set -eu
cd "$(dirname "$0")/../.."
for tool in clang wasm-ld python3; do
    command -v $tool >/dev/null || { echo "missing: $tool (Debian: clang lld python3)"; exit 1; }
done
work=build/www
examples/www/build.sh $work
rm -rf $work/store
for file in "$work"/site/*; do build/dxup publish $work/store "$(basename "$file")" "$file" --quiet; done
build/dxup publish $work/store app.dxs $work/app-1.dxs --quiet
echo "open http://${1:-127.0.0.1:8000}/ ; when you have seen it, publish the next version and visit again:"
echo "    build/dxup publish $work/store app.dxs $work/app-2.dxs"
exec build/dxup serve $work/store --listen 127.0.0.1:0 --http "${1:-127.0.0.1:8000}"
