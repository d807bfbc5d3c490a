#!/bin/sh
# Both boards, in emulators: what they run, an update over the UART, what they run then.
set -eu
cd "$(dirname "$0")/../.."
work=$PWD/build/firmware
missing=
for tool in arm-none-eabi-gcc qemu-system-arm riscv64-unknown-elf-gcc qemu-system-riscv32; do
    command -v $tool >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || { echo "missing:$missing (Debian: gcc-arm-none-eabi gcc-riscv64-unknown-elf qemu-system-arm qemu-system-misc)"; exit 1; }
mkdir -p "$work"
"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -D_POSIX_C_SOURCE=200809L examples/firmware/dxflash.c -o "$work/dxflash"
emulator=
trap '[ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true' EXIT
start() { # EMULATOR...      until it answers
    rm -f uart.sock
    "$@" -display none -monitor none -serial unix:uart.sock,server,nowait &
    emulator=$!
    until ../dxflash uart.sock info >/dev/null 2>&1; do
        kill -0 "$emulator" 2>/dev/null || { echo "$1 ended before the board answered"; exit 1; }
        sleep 0.1
    done
}
board() { # NAME FLASH-BYTES TITLE EMULATOR...
    name=$1 bytes=$2 title=$3
    shift 3
    examples/firmware/build.sh "$name" "$work/$name"
    cd "$work/$name"
    { cat app-1.bin; head -c 2097152 /dev/zero | tr '\0' '\377'; } | head -c 1572864 >nor.img
    truncate -s "$bytes" nor.img
    echo "== $title: updater of $(size -A updater.elf | awk '$1 == ".text" { print $2 }') bytes"
    start "$@"
    ../dxflash uart.sock run
    wait
    start "$@"
    ../dxflash uart.sock update app-2.bin app-1.bin
    ../dxflash uart.sock run
    wait
    cd - >/dev/null
}
board mps2 786432 "Cortex-M3 (mps2-an385)" qemu-system-arm -M mps2-an385 -semihosting-config enable=on,target=native -kernel updater.elf
board virt 33554432 "rv32imac (virt, NOR flash)" qemu-system-riscv32 -M virt -bios updater.elf -drive if=pflash,unit=1,format=raw,file=nor.img
