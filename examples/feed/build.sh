#!/bin/sh
# Vendor dx_teleport.h under the prefix of a project "acme", as docs/vendoring.md says, and build both programs with it.
# usage: build.sh FOLDER
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
sed 's/dx_/acme_/g; s/DX_/ACME_/g' ../../dx_teleport.h >"$out/acme_teleport.h"
${CXX:-c++} -std=c++17 -O2 -g -Wall -Wextra -I"$out" producer.cc -o "$out/producer"
${CC:-cc} -std=c11 -O2 -g -Wall -Wextra -D_POSIX_C_SOURCE=200809L -I"$out" consumer.c -o "$out/consumer"
