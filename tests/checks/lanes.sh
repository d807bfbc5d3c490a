#!/bin/bash
# The hashes of dx_cas.h are the same at every width of vectors, with every compiler, and on ARM.
. "$(dirname "$0")/lib.sh"
flags="-std=c11 -O2 -Wall -Wextra -Werror"
width() { # NAME RUNNER COMPILER...      RUNNER "-": runs natively
    local runner=${2#-}
    local out=$work/$1
    shift 2
    "$@" $flags tests/cores/test_cas_hash.c -o "$out" -lpthread || return
    $runner "$out" >"$out.txt" 2>&1 || tail -n 5 "$out.txt"
}
for compiler in gcc clang; do
    has $compiler || { skip "$compiler" "not installed"; continue; }
    try "$compiler, the width of this CPU" width "$compiler" - $compiler
    try "$compiler, in small code" width "${compiler}small" - $compiler -DDX_CAS_SMALL
    for lanes in 1 4 8 16; do # 16 lanes without AVX-512: the compiler makes two or four of each vector
        try=later
        [ $lanes != 4 ] || try=try
        $try "$compiler, $lanes lanes" width "$compiler$lanes" - $compiler -DDX_CAS_LANES=$lanes
    done
    ! accepts $compiler -msse4.1 ||
        later "$compiler, 4 lanes of SSE4.1" width "${compiler}sse41" - $compiler -DDX_CAS_LANES=4 -msse4.1
done
if has_m32; then try "i386" width i386 - gcc $m32; else skip "i386" "gcc has no 32-bit C library here"; fi
if has aarch64-linux-gnu-gcc && has qemu-aarch64-static; then
    try "aarch64 (NEON)" width aarch64 qemu-aarch64-static aarch64-linux-gnu-gcc -static
else
    skip "aarch64" "no compiler or no emulator"
fi
finish
