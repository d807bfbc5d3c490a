#!/bin/bash
# What a program takes on with dx_reactor.h: the size of a stripped echo server that has both backends of Linux, and allocations.
. "$(dirname "$0")/lib.sh"

most=32768
flags="-Os -DNDEBUG -ffunction-sections -fdata-sections -Wl,--gc-sections -s"
echoes() { # PROGRAM     what comes back from it
    local port server line
    for port in 42117 43119 44123; do
        "$1" 127.0.0.1:$port &
        server=$!
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            sleep 0.1
            { exec 5<>/dev/tcp/127.0.0.1/$port; } 2>/dev/null && break
        done
        if kill -0 $server 2>/dev/null; then
            echo hello >&5
            read -r -t 5 line <&5
            kill $server
            wait $server 2>/dev/null
            [ "$line" = hello ] || echo "it does not echo: '$line'"
            return
        fi
    done
    echo "no free port"
}
size_of_echo() {
    gcc $flags -o "$work/echo" tests/compile/echo.c -lpthread || return 1
    size=$(stat -c %s "$work/echo")
    [ "$size" -le $most ] || echo "$size bytes, at most $most"
    echoes "$work/echo" 2>/dev/null
}
allocations() { # BACKEND
    "$work/allocations" "$1" >"$work/count.$1" 2>&1 || { echo "status $?"; cat "$work/count.$1"; }
}
[ "$(uname -m)" = x86_64 ] && has gcc && try "a stripped echo server is at most $most bytes and echoes" size_of_echo
if $CC -O2 -DNDEBUG -o "$work/allocations" tests/compile/allocations.c -lpthread 2>"$work/why"; then
    try "io_uring: nothing is allocated in ten million operations" allocations 1
    try "epoll: nothing is allocated in ten million operations" allocations 2
else
    skip "allocations" "no C library whose allocation can be counted"
fi
finish
