#!/bin/bash
# Layers above the headers, which live beside them under the same rules: no warning in C and C++, readable sizes, and where they
# need no operating system nothing but memcpy, memmove, memset and memcmp.
. "$(dirname "$0")/lib.sh"

everything="-Weverything -Wno-padded -Wno-declaration-after-statement -Wno-used-but-marked-unused"
for w in unsafe-buffer-usage switch-default pre-c11-compat; do
    accepts clang "-Wno-$w" && everything="$everything -Wno-$w"
done

source_of() { # LAYER HEADER: a file that holds both
    printf '#define DX_IMPLEMENTATION\n#include "%s"\n#include "%s"\n' "$2" "$1" >"$work/$(basename "$1" .h).c"
    echo "$work/$(basename "$1" .h).c"
}
functions() { # FILE: SIGNATURE-LINE LENGTH NAME
    awk '/^[A-Za-z_].*[a-z_0-9] ?\(/ && !/;[ ]*$/ && !/^(typedef|#|extern "C")/ { start = NR; name = $0 }
         /^}/ { if (start) { sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); print start, NR - start, name } start = 0 }
         /^[^{} \t#].*;[ ]*$/ { start = 0 }' "$1"
}
undefined() { # OUTPUT COMPILER...
    "${@:2}" || return
    nm -u "$1" | awk '{ print $NF }' | grep -vxE "memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|__(aeabi_[a-z0-9]+|gnu_thumb1_case_[a-z]+|u?(div|mod|divmod)[sd]i[34]|(clz|ctz|popcount|bswap)[sd]i2)" |
        sed 's/^/needs /'
    return 0
}
while read -r layer header kind option; do
    [ -f "$layer" ] || continue
    name=$(basename "$layer") file=$(source_of "$layer" "$header")
    case $option in *_SODIUM) library=sodium.h ;; *) library=zstd.h ;; esac
    if [ -n "$option" ] && ! echo "#include <$library>" | gcc -x c -fsyntax-only - 2>/dev/null; then
        skip "$name $option" "$library is not installed"
        continue
    fi
    try "$name gcc strict $option" gcc -std=c99 -O2 $strict $option -I"$top" -S -o /dev/null "$file"
    ! has clang || try "$name clang everything $option" clang -std=c99 $everything $option -I"$top" -S -o /dev/null "$file"
    for compiler in g++ clang++; do
        has $compiler || { skip "$name $compiler" "not installed"; continue; }
        for std in c++11 c++20; do
            try "$name $compiler $std $option" $compiler -std=$std -Wall -Wextra $option -I"$top" -x c++ "$file" -S -o /dev/null
        done
    done
    [ -z "$option" ] || continue
    functions "$layer" >"$work/functions"
    median=$(cut -d ' ' -f 2 "$work/functions" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] + 0 }')
    verdict "$name functions, $median lines in the median" "$([ "$median" -le 15 ] || echo "too long")"
    verdict "$name longest function" "$(awk '$2 > 70 { print "line " $1 ": " $3 " has " $2 " lines" }' "$work/functions")"
    verdict "$name columns" "$(awk 'length($0) > 100 { print "line " NR ": " length($0) " columns" }' "$layer" | { [ "$kind" = wide ] && cat >/dev/null || cat; })"
    [ "$kind" = freestanding ] || continue
    while read -r machine compiler flags; do
        has "$compiler" || { skip "$name $machine" "$compiler is not installed"; continue; }
        [ "$machine" != i386 ] || has_m32 || { skip "$name i386" "gcc has no 32-bit C library here"; continue; }
        try "$name $machine" undefined "$work/$name.$machine.o" $compiler $flags -O2 -std=c99 -Wall -Wextra -ffreestanding -nostdlib \
            -I"$top" -c "$file" -o "$work/$name.$machine.o"
    done <<MACHINES
host $CC
i386 gcc -m32 -fno-pic
cortex-m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
s390x s390x-linux-gnu-gcc
MACHINES
done <<END
layers/dx_hde.h dx_patch.h freestanding
layers/dx_hde.h dx_patch.h freestanding -DDX_HDE_ZSTD
layers/dx_versions.h dx_patch.h freestanding
layers/dx_nor.h dx_cas.h freestanding
layers/dx_bulk.h dx_hbtp.h hosted
layers/dx_chunks.h layers/dx_chunks.h freestanding
layers/dx_http.h layers/dx_http.h freestanding
layers/dx_json.h layers/dx_json.h freestanding
layers/dx_limiter.h layers/dx_limiter.h freestanding
layers/dx_token.h layers/dx_token.h freestanding
layers/dx_codec.h dx_hbtp.h freestanding
layers/dx_codec.h dx_hbtp.h hosted -DDX_CODEC_ZSTD
layers/dx_codec.h dx_hbtp.h hosted -DDX_CODEC_SODIUM
layers/dx_cache.h dx_cas.h wide
layers/dx_edge.h dx_cas.h freestanding
layers/dx_queries.h dx_cas.h freestanding
layers/dx_devices.h dx_cas.h freestanding
layers/dx_dump.h dx_teleport.h freestanding
layers/dx_ring.h layers/dx_ring.h freestanding
END
# Helpers that are the same in every header are the same here, too.
verdict "dx_hde.h shared helpers" "$(for f in load32 load64 store32 crc32c; do
    piece() { sed -n "/^static [a-z0-9_]* $2_p_$f(/,/^}/p" "$1" | sed "s/$2_/dx_x_/g"; }
    [ -n "$(piece layers/dx_hde.h dx_hde)" ] && [ "$(piece layers/dx_hde.h dx_hde)" = "$(piece dx_patch.h dx_patch)" ] || echo "$f differs"
done)"
verdict "dx_hde.h sip is that of dx_cas.h" "$(
    sip() { sed -n "/^static uint64_t $2_p_sip(/,/^}/p" "$1" | sed "s/$2_/dx_x_/g; s/$(echo "$2" | tr a-z A-Z)_/DX_X_/g"; }
    [ -n "$(sip layers/dx_hde.h dx_hde)" ] && [ "$(sip layers/dx_hde.h dx_hde)" = "$(sip dx_cas.h dx_cas)" ] || echo "sip differs")"
finish
