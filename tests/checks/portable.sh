#!/bin/bash
# The codecs write the same bytes on every machine: little-endian and big-endian, 64 and 32 bits, any optimisation.
. "$(dirname "$0")/lib.sh"
source=tests/ports/vectors.c

# Two versions of an executable, for the patches: the same two files for every machine.
for level in 1 2; do
    $CC -O$level -s examples/hello/hello_hbtp.c -o "$work/program$level" || { verdict "a program to patch" "does not compile"; finish; }
done
vectors() { # NAME RUNNER COMPILER...      RUNNER "-": runs natively
    local out=$work/vectors.$1 runner=${2#-}
    shift 2
    "$@" -std=c99 "$source" -o "$out" || return
    $runner "$out" "$work/program1" "$work/program2" >"$out.txt" 2>&1 || { echo "ended with status $?"; tail -n 3 "$out.txt"; }
}
# One case per line: a subject, with all machines.
same() { # NAME
    vectors "$@" || return
    diff "$work/vectors.host.txt" "$work/vectors.$1.txt" | sed 's/^</host:/; s/^>/here:/' | grep -E '^(host|here)'
    return 0
}
base "host, -O2" vectors host - "$CC" -O2
wait
echo "what the host writes:"
cat "$work/vectors.host.txt"

try "host, -O0" same O0 - "$CC" -O0
later "host, -O3 with unsigned char" same O3 - "$CC" -O3 -funsigned-char
if has clang; then try "host, clang -O2" same clang - clang -O2; else skip "clang" "not installed"; fi
if has_m32; then
    try "i386 (32 bits)" same i386 - gcc $m32 -O2
else
    skip "i386" "gcc has no 32-bit C library here"
fi
foreign() { # MACHINE WHAT
    local qemu
    qemu=$(command -v "qemu-$1-static" || command -v "qemu-$1")
    if has "$1-linux-gnu-gcc" && [ -n "$qemu" ]; then
        try "$1 ($2)" same "$1" "$qemu" "$1-linux-gnu-gcc" -O2 -static
    else
        skip "$1" "needs $1-linux-gnu-gcc and qemu-user-static"
    fi
}
foreign aarch64 "64 bits"
foreign s390x "big-endian"
finish
