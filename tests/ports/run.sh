#!/bin/bash
# The unit tests of one header on another machine: 32 bits (i386) or big-endian (s390x, emulated).
# usage: run.sh i386|s390x NAME      the counts at the end are those of build/PORT/test_NAME
#
# Differences of word size or byte order show in the first runs of a property: an eighth of them with 32 bits, a twentieth emulated
# (DX_TEST_SHARE: another part).
set -u
cd "$(dirname "$0")/../.." || exit 1
port=$1 name=test_$2 filter=
program=build/$port/$name
skip() {
    echo "skip $name on $port: $1"
    echo "$name.$port: 0 passed, 0 failed, 1 skipped"
    exit 0
}
case $port in
    i386)
        # Debian's 32-bit C library keeps its <asm/...> headers in the 64-bit folder.
        compiler="gcc -O1 -m32 -D_FILE_OFFSET_BITS=64 -idirafter /usr/include/$(uname -m)-linux-gnu"
        runner=
        share=8
        [ "$2" != cas_large ] || compiler+=" -O2 -msse2" # it hashes nine gigabytes
        echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o /dev/null 2>/dev/null || skip "gcc has no 32-bit C library here"
        ;;
    s390x)
        compiler="s390x-linux-gnu-gcc -O1 -static"
        runner=$(command -v qemu-s390x-static || command -v qemu-s390x) || skip "no qemu-user-static"
        command -v s390x-linux-gnu-gcc >/dev/null || skip "no s390x-linux-gnu-gcc"
        share=20
        # The emulator has no io_uring.
        case $2 in reactor | reactor_* | connections) filter=epoll ;; esac
        ;;
    *) echo "usage: run.sh i386|s390x NAME" >&2 && exit 1 ;;
esac
# The last test of these counts what all runs reached.
case $2 in
    patch_streams) share=1 ;;
    connections | link | patch_hostile | patch_limits) [ $share -lt 10 ] || share=8 ;;
esac
export DX_TEST_SHARE=${DX_TEST_SHARE:-$share}
mkdir -p "build/$port" &&
    $compiler -std=c11 -Wall -Wextra -Wno-unused-function $(make -s private-copies SUITE="$name") tests/*/"$name.c" -o "$program" -lpthread && $runner "$program" $filter
