#!/bin/bash
# The cost of dx_reactor.h in a program: the size of a stripped echo server with both Linux backends, and its allocations;
# those of a page.
. "$(dirname "$0")/lib.sh"

# The linker aligns read, executable and writable parts to pages: without that, one more byte does not cost 4096.
most=28672
flags="-Os -DNDEBUG -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,noseparate-code,-z,norelro -s"
port_of() { # PID     its listening port in hexadecimal; empty: none yet
    local inode
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
        awk -v inode="$inode" '$4 == "0A" && $10 == inode { split($2, at, ":"); print at[2] }' "/proc/$1/net/tcp"
    done
}
echoes() { # PROGRAM     prints the echoed bytes
    local port= server line
    "$1" 127.0.0.1:0 &
    server=$!
    for _ in $(seq 600); do
        port=$(port_of $server)
        [ -n "$port" ] && break
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
    if [ -n "$port" ] && exec 5<>/dev/tcp/127.0.0.1/$((16#$port)); then
        echo hello >&5
        read -r -t 60 line <&5
    fi
    kill $server
    wait $server 2>/dev/null
    [ "${line:-}" = hello ] || echo "it does not echo: '${line:-}', at '$port'"
}
size_of_echo() {
    gcc $flags -o "$work/echo" tests/checks/compile/echo.c -lpthread || return 1
    size=$(stat -c %s "$work/echo")
    [ "$size" -le $most ] || echo "$size bytes, at most $most"
    echoes "$work/echo" 2>/dev/null
}
allocations() { # BACKEND
    "$work/allocations" "$1" >"$work/count.$1" 2>&1 || { echo "status $?"; cat "$work/count.$1"; }
}
# The store on flash of layers/dx_nor.h, on Cortex-M (Thumb, -Os): code with BLAKE3; memory with the stack and the objects.
# The applier of flash patches, with DX_PATCH_FLASH_SMALL.
on_flash() { # USE MOST-CODE MOST-MEMORY [HEADER]
    python3 tests/checks/small/size.py "${4:-nor}" "$1" >"$work/nor.$1" || { echo "does not build"; return; }
    [ -s "$work/nor.$1" ] || echo "no figures"
    awk -v code="$2" -v memory="$3" '$2 > code || $3 + $4 > memory { print $1 ": " $2 " bytes of code, " $3 " + " $4 " of memory" }' "$work/nor.$1"
}
if has arm-none-eabi-gcc; then
    try "a store on flash: hash, get and verify in 8 KB of code, 4 KB of memory" on_flash 1 8192 4096
    try "a store on flash: put, names, commit and collection, too, in 16 KB of code, 4 KB of memory" on_flash 3 16384 4096
    try "a flash patch, small: 4 KB of code, 2 KB of memory" on_flash 5 4096 2048 patch
else
    skip "a store on flash" "no arm-none-eabi-gcc"
    skip "a flash patch, small" "no arm-none-eabi-gcc"
fi
[ "$(uname -m)" = x86_64 ] && has gcc && try "a stripped echo server is at most $most bytes and echoes" size_of_echo
operations=10000000
[ "$tier" != native ] || operations=1000000
if $CC -O2 -DNDEBUG -DOPERATIONS=$operations -o "$work/allocations" tests/checks/compile/allocations.c -lpthread 2>"$work/why"; then
    try "io_uring: nothing is allocated in $operations operations" allocations 1
    try "epoll: nothing is allocated in $operations operations" allocations 2
else
    skip "allocations" "no C library whose allocation can be counted"
fi
page_allocations() {
    "$work/page" >"$work/count.page" 2>&1 || { echo "status $?"; cat "$work/count.page"; }
}
if $CC -O2 -DNDEBUG -o "$work/page" tests/checks/compile/page_allocations.c 2>"$work/why"; then
    try "mo_6: rows of a page are made, moved, changed and removed without an allocation" page_allocations
else
    skip "mo_6: allocations of a page" "no C library whose allocation can be counted"
fi
finish
