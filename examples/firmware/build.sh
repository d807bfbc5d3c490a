#!/bin/sh
# Build the updater, the settings and two versions of the application for one board.
# usage: build.sh mps2|virt FOLDER [FLAGS...]      FOLDER gets updater.elf, settings.elf, app-1.bin, app-2.bin
set -eu
board=$1 out=$2
shift 2
cd "$(dirname "$0")"
case $board in
    mps2) cc="arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -mno-unaligned-access" copy=arm-none-eabi-objcopy
          memory="CODE=0 DATA=0x20000000" flash="CODE=0x21000000 DATA=0x20000000" ;;
    virt) cc="riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32" copy=riscv64-unknown-elf-objcopy
          memory="CODE=0x80000000 DATA=0x80020000" flash="CODE=0x22000000 DATA=0x80020000" ;;
    *) echo "usage: build.sh mps2|virt FOLDER [FLAGS...]" >&2 && exit 1 ;;
esac
flags="-std=c11 -ffreestanding -nostdlib -fno-tree-loop-distribute-patterns -Wall -Wextra -DNDEBUG $*"
link() { # DEFINITIONS...
    for definition; do printf -- '-Wl,--defsym=%s ' "$definition"; done
    echo "-T program.ld"
}
mkdir -p "$out"
$cc $flags -Os -DBOARD_UPDATER -ffunction-sections -fdata-sections -Wl,--gc-sections $(link $memory STACK=3584) \
    updater.c "board_$board.c" ../memory.c -o "$out/updater.elf" -lgcc
$cc $flags -Os -DBOARD_UPDATER -ffunction-sections -fdata-sections -Wl,--gc-sections $(link $memory STACK=3584) \
    settings.c "board_$board.c" ../memory.c -o "$out/settings.elf" -lgcc
for version in 1 2; do
    $cc $flags -O2 -DAPP_VERSION=$version $(link $flash STACK=16384) \
        app.c "board_$board.c" ../memory.c -o "$out/app-$version.elf" -lgcc
    $copy -O binary -j .text "$out/app-$version.elf" "$out/app-$version.bin"
done
