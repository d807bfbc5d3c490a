#!/bin/bash
# Data and choices that look random and are the same in every run: sourced by the tests of the programs.
# They depend on DX_TEST_SEED, on the case ($name) and on the number of earlier ones in it. Needs $work, a
# folder.
seed=${DX_TEST_SEED:-1}
seeded() { # CASE      from here on its data, whichever cases ran before
    chance=$(printf %s "$seed $1" | cksum | cut -d ' ' -f 1)
    echo 0 >"$work/.drawn" # a file: it counts in subshells too
}
bytes() { # COUNT
    local drawn
    read -r drawn <"$work/.drawn"
    echo $((drawn + 1)) >"$work/.drawn"
    python3 -I -S -c '
import _random, sys
left = int(sys.argv[1])
chance = _random.Random(int.from_bytes(" ".join(sys.argv[1:]).encode(), "little"))
while left > 0:
    now = min(left, 1 << 16)
    sys.stdout.buffer.write(chance.getrandbits(8 * now).to_bytes(now, "little"))
    left -= now' "$1" "$seed" "${name:-}" "$drawn"
}
draw() { # BELOW      sets $drawn to one of 0..BELOW-1; not in a subshell
    chance=$((chance * 6364136223846793005 + 1442695040888963407))
    drawn=$(((chance >> 33 & 0x7fffffff) % $1))
}
flip() { # FILE OFFSET      one bit of one byte
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    draw 8
    printf "\\x$(printf %02x $((byte ^ (1 << drawn))))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
flip_anywhere() { # FILE [LAST]      in the whole file or in its last bytes; sets $at
    at=$(stat -c %s "$1")
    draw "${2:-$at}"
    at=$((at - 1 - drawn))
    flip "$1" "$at"
}
moment() { # MILLISECONDS      sleeps for less than that
    draw "$1"
    sleep "$((drawn / 1000)).$(printf %03d $((drawn % 1000)))"
}
