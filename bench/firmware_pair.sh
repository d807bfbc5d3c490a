#!/bin/bash
# Builds the firmware pair of the benchmark and the tests: two versions of bench/firmware_pair.c as raw Thumb-2 images.
# usage: firmware_pair.sh FOLDER      writes p20-thumb2.old and p20-thumb2.new there; status 3 without the compiler or its C library
set -eu
cd "$(dirname "$0")/.."
folder=$1 cc=arm-none-eabi-gcc
command -v $cc >/dev/null && echo '#include <stdio.h>' | $cc -fsyntax-only -x c - 2>/dev/null || {
    echo "no $cc with a C library (gcc-arm-none-eabi, libnewlib-arm-none-eabi)" >&2
    exit 3
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/board.ld" <<'LD'
ENTRY(start)
MEMORY { FLASH (rx) : ORIGIN = 0x08008000, LENGTH = 480K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 256K }
SECTIONS
{
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(8); } >FLASH
    .ARM.exidx : { *(.ARM.exidx*) *(.ARM.extab*) } >FLASH
    .data : { *(.data*) . = ALIGN(8); } >RAM AT>FLASH
    .bss (NOLOAD) : { *(.bss*) *(COMMON) . = ALIGN(16); heap_begin = .; end = .; . = . + 16K; heap_end = .; . = . + 8K; stack_end = .; } >RAM
    /DISCARD/ : { *(.comment) *(.init*) *(.fini*) *(.eh_frame*) }
}
LD
for version in 1 2; do
    $cc -std=gnu11 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -DNDEBUG -DVERSION=$version -w \
        bench/firmware_pair.c -o "$work/image" -nostartfiles -T "$work/board.ld" -lm -lc -lgcc
    arm-none-eabi-objcopy -O binary "$work/image" "$folder/p20-thumb2.$([ $version = 1 ] && echo old || echo new)"
done
