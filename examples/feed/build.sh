#!/bin/sh
# Vendor dx_teleport.h and dx_ring.h under the prefix of a project "acme", as docs/vendoring.md says, and build both programs.
# usage: build.sh FOLDER
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
for header in ../../dx_teleport.h ../../layers/dx_ring.h; do
    name=$(basename "$header" .h)
    sed 's/dx_/acme_/g; s/DX_/ACME_/g' "$header" >"$out/acme_${name#dx_}.h"
done
${CXX:-c++} -std=c++17 -O2 -g -Wall -Wextra -I"$out" producer.cc -o "$out/producer"
${CC:-cc} -std=c11 -O2 -g -Wall -Wextra -D_POSIX_C_SOURCE=200809L -I"$out" consumer.c -o "$out/consumer"
