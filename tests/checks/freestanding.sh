#!/bin/bash
# Four headers need nothing but memcpy, memmove, memset and memcmp: on the host, on i386 and on a Cortex-M0.
. "$(dirname "$0")/lib.sh"

# What a compiler calls for its own purposes (64-bit division, soft floats ...) comes with it, in libgcc.
runtime='__(aeabi_[a-z0-9]+|gnu_thumb1_case_[a-z]+|u?(div|mod|divmod)[sd]i[34]|(clz|ctz|popcount|bswap)[sd]i2)'

undefined() { # OUTPUT COMPILER...
    local out=$1
    shift
    "$@" || return
    nm -u "$out" | awk '{ print $NF }' | grep -vxE "memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|$runtime" |
        sed 's/^/needs /'
    return 0
}
for h in $headers; do
    [ "$h" != dx_reactor.h ] || continue # it speaks to an operating system
    for size in -Os -O2; do
        while read -r name compiler flags; do
            has "$compiler" || { skip "$h $name $size" "$compiler is not installed"; continue; }
            out=$work/$h$name$size.o
            try "$h $name $size" undefined "$out" $compiler $flags $size -std=c99 -Wall -Wextra -ffreestanding -nostdlib \
                $(including "$h") -DDX_IMPLEMENTATION -c "$one" -o "$out"
        done <<END
host $CC
i386 gcc -m32 -fno-pic
cortex-m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
END
    done
done
finish
