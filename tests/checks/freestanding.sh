#!/bin/bash
# Four headers need nothing but memcpy, memmove, memset and memcmp: on the host, on i386 and on a Cortex-M0.
. "$(dirname "$0")/lib.sh"

# Functions that compilers call for their own purposes (64-bit division, soft floats ...) come with them, in libgcc.
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
    [ "$h" != dx_reactor.h ] || continue # it needs an operating system
    for size in -Os -O2; do
        while read -r name compiler flags; do
            has "$compiler" || { skip "$h $name $size" "$compiler is not installed"; continue; }
            out=$work/$h$name$size.o
            [ "$name$size" != i386-O2 ] || continue # as on the host
            try=try
            [ $size = -Os ] || try=later
            $try "$h $name $size" undefined "$out" $compiler $flags $size -std=c99 -Wall -Wextra -ffreestanding -nostdlib \
                $(including "$h") -DDX_IMPLEMENTATION -c "$one" -o "$out"
        done <<END
host $CC
i386 gcc -m32 -fno-pic
cortex-m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
END
    done
done
# Without its maker, dx_patch.h neither declares nor contains any of it, and is smaller.
without_maker() {
    local flags="-Os -std=c99 -Wall -Wextra -ffreestanding -nostdlib $(including dx_patch.h)" left
    undefined "$work/applier.o" $CC $flags -DDX_IMPLEMENTATION -DDX_PATCH_NO_CREATE -c "$one" -o "$work/applier.o" || return
    left=$($CC $flags -DDX_PATCH_NO_CREATE -E "$one" | grep -oE 'dx_patch_(create[a-z_]*|bound)' | sort -u)
    left="$left$(nm "$work/applier.o" | grep -E 'create|make|matches|store64')"
    [ -z "$left" ] || echo "of the maker there is" $left
}
case " $headers " in *" dx_patch.h "*) try "dx_patch.h without its maker" without_maker ;; esac
# With a small C library, as in most firmware: without POSIX, and on AVR with a 16-bit int and size_t. Layers, too (in one file),
# except those on the reactor or on sockets.
small=
for h in $(ls layers/dx_*.h 2>/dev/null); do
    grep -q '^ *#include "../dx_reactor.h"\|^ *#include "dx_\(peers\|link\).h"' "$h" || small+=" $h"
done
for h in ${headers/dx_reactor.h/} ${small:+layers}; do
    together $([ "$h" = layers ] && echo $small || echo "$h") >"$work/small.${h%.h}.c"
    while read -r name compiler flags; do
        has "$compiler" || { skip "$h $name" "$compiler is not installed"; continue; }
        echo '#include <string.h>' | $compiler $flags -x c -fsyntax-only - 2>/dev/null || { skip "$h $name" "no C library for it"; continue; }
        try "$h $name" $compiler $flags -Os -Wall -Wextra -I"$top" -S "$work/small.${h%.h}.c" -o /dev/null
    done <<END
newlib arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -std=c11
newlib-c99 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb -std=c99
avr-libc avr-gcc -mmcu=atmega2560 -std=c11
END
done
finish
