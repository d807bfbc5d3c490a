#!/bin/bash
# Readers of teleport records and ends of a ring whose bytes change between any two loads, as each compiler makes these: the code
# is instrumented as for ThreadSanitizer, but linked with the hooks of tests/dx_peer_sim.h, which change the bytes.
. "$(dirname "$0")/lib.sh"

every_load() { # COMPILER LEVEL SUITE     (the ordinary build of the suite has the warnings on)
    local name="$work/$1$2${3##*/}"
    "$1" -std=c11 -w -g "$2" -fsanitize=thread -DEVERY_LOAD -c \
        "tests/$3.c" -o "$name.o" && "$1" "$name.o" -o "$name" || return
    timeout 600 "$name" >"$name.txt" 2>&1 || { echo "ended with status $?"; tail -n 5 "$name.txt"; }
}
for compiler in gcc clang; do
    for level in -O1 -O3; do
        if has $compiler && accepts $compiler -fsanitize=thread; then
            try=try
            [ $level = -O1 ] || try=later
            $try "a change before any load, $compiler $level" every_load $compiler $level cores/test_teleport_peer
            $try "a change before any load of a ring, $compiler $level" every_load $compiler $level layers/test_ring_peer
        else
            skip "a change before any load, $compiler $level" "$compiler is not here or has no -fsanitize=thread"
        fi
    done
done
finish
