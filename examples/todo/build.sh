#!/bin/sh
# Build the to-do list: todo.html becomes todo.h, todo.c becomes todo.wasm.
# usage: build.sh FOLDER      FOLDER gets a page for any web server
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
python3 ../www/component.py todo.html "$out/todo.h"
clang --target=wasm32 -std=c11 -O2 -mbulk-memory -Wall -Wextra -DNDEBUG -nostdlib -ffreestanding -fuse-ld=lld -Wl,--no-entry -Wl,--strip-all \
    -I"$out" todo.c -o "$out/todo.wasm"
cp index.html todo.css ../www/page_host.js ../www/page_ops.js "$out/"
