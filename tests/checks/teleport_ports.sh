#!/bin/bash
# Teleport records are the same bytes, and read the same, on every machine: the program tests/ports/teleport.c prints the
# same lines on 32 and 64 bits, little- and big-endian, in QEMU without an operating system, and in WebAssembly.
. "$(dirname "$0")/lib.sh"
source=tests/ports/teleport.c
bare="-std=c99 -Os -ffreestanding -nostdlib -DBARE -Wall -Wextra -I$top"

same() { # NAME
    diff "$work/host.txt" "$work/$1.txt" | sed 's/^</host:/; s/^>/here:/' | grep -E '^(host|here)'
    return 0
}
hosted() { # NAME RUNNER COMPILER...
    local name=$1 runner=${2#-}
    shift 2
    "$@" -std=c99 -Wall -Wextra "$source" -o "$work/$name" || return
    timeout 900 $runner "$work/$name" >"$work/$name.txt" || echo "ended with status $?"
    [ "$name" = host ] || same "$name"
}
cortex_m3() {
    arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -mno-unaligned-access $bare -Wl,--defsym=CODE=0,--defsym=DATA=0x20000000 \
        -T tests/ports/bare.ld "$source" tests/ports/bare.c -o "$work/m3" -lgcc || return
    timeout 900 qemu-system-arm -M mps2-an385 -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel "$work/m3" >"$work/m3.txt" 2>&1 || echo "ended with status $?"
    same m3
}
rv32() {
    riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32 -mcmodel=medany $bare \
        -Wl,--defsym=CODE=0x80000000,--defsym=DATA=0x80100000 -T tests/ports/bare.ld \
        "$source" tests/ports/bare.c -o "$work/rv32" -lgcc || return
    timeout 900 qemu-system-riscv32 -M virt -bios none -nographic -monitor none -serial stdio -kernel "$work/rv32" \
        >"$work/rv32.txt" || echo "ended with status $?"
    same rv32
}
wasm32() {
    $1 --target=wasm32 $bare -fno-builtin -O2 -Wl,--no-entry,--export=vectors,--allow-undefined \
        "$source" tests/ports/bare.c -o "$work/module.wasm" || return
    timeout 900 node tests/ports/wasm.js "$work/module.wasm" >"$work/wasm.txt" || echo "ended with status $?"
    same wasm
}
compiles() { # COMPILER...      to an object only
    "$@" $bare -c "$source" -o "$work/object.$1.o"
}
emulated() { # NAME COMPILER QEMU
    local qemu
    qemu=$(command -v "qemu-$3-static" || command -v "qemu-$3")
    if has "$2" && [ -n "$qemu" ]; then try "$1" hosted "$3" "$qemu" "$2" -O2 -static; else skip "$1" "needs $2 and qemu-$3"; fi
}

base "host" hosted host - "$CC" -O2
wait
if has_m32; then try "i386" hosted i386 - gcc $m32 -O2 -msse2 -mfpmath=sse; else skip "i386" "gcc has no 32-bit C library here"; fi
emulated "aarch64" aarch64-linux-gnu-gcc aarch64
emulated "armhf" arm-linux-gnueabihf-gcc arm
emulated "s390x (big-endian)" s390x-linux-gnu-gcc s390x
emulated "mips (big-endian, 32 bits)" mips-linux-gnu-gcc mips
if has arm-none-eabi-gcc && has qemu-system-arm; then
    try "Cortex-M3, unaligned access traps" cortex_m3
else
    skip "Cortex-M3" "needs arm-none-eabi-gcc and qemu-system-arm"
fi
if has riscv64-unknown-elf-gcc && has qemu-system-riscv32; then
    try "rv32imac" rv32
else
    skip "rv32imac" "needs riscv64-unknown-elf-gcc and qemu-system-riscv32"
fi
if has clang && { has wasm-ld || has wasm-ld-14; } && has node; then
    try "wasm32 in node" wasm32 clang
else
    skip "wasm32 in node" "needs clang, lld and node"
fi
if has avr-gcc; then
    try "AVR compiles (16-bit int)" compiles avr-gcc -mmcu=atmega2560 -DNO_F64
else
    skip "AVR" "needs gcc-avr"
fi
if has clang; then try "MSP430 compiles (16-bit int)" compiles clang --target=msp430; else skip "MSP430" "needs clang"; fi
finish
