#!/bin/bash
# docs/formats/patch.md says enough: a reader in Python, written from it alone, gives the targets of its vectors and of patches of
# real files. xdelta3 and dxpatch read each other's VCDIFF for the same files.
. "$(dirname "$0")/lib.sh"
dxpatch=$work/dxpatch pairs=$work/pairs
mkdir "$pairs"

build() { make -s build/dxpatch && cp build/dxpatch "$dxpatch"; }
patches() { # PAIR KIND...      dxpatch and the other reader agree
    local old=$pairs/$1.old new=$pairs/$1.new patch=$work/$1.$2
    "$dxpatch" diff "$old" "$new" "$patch" --quiet --kind "${@:2}" && "$dxpatch" apply "$old" "$patch" "$patch.out" --quiet &&
        cmp "$patch.out" "$new" && timeout 1200 python3 tests/readers/patch.py apply "$old" "$patch" "$new" >"$patch.log" || echo "failed"
}
streams() { # PAIR      the same of a delta of streams, which dxpatch does not make
    local old=$pairs/$1.old new=$pairs/$1.new patch=$work/$1.streams
    "$work/streams" "$old" "$new" "$patch" 6 && "$dxpatch" apply "$old" "$patch" "$patch.out" --quiet && cmp "$patch.out" "$new" &&
        timeout 1200 python3 tests/readers/patch.py apply "$old" "$patch" "$new" >"$patch.log" || echo "failed"
}
vcdiff() { # PAIR
    local old=$pairs/$1.old new=$pairs/$1.new patch=$work/$1.xd
    "$dxpatch" diff "$old" "$new" "$patch" --kind vcdiff --quiet && xdelta3 -d -f -s "$old" "$patch" "$patch.out" && cmp "$patch.out" "$new"
    for options in "-0" "-9" "-9 -n" "-1 -A"; do
        xdelta3 -e -f -S none $options -s "$old" "$new" "$patch" && "$dxpatch" apply "$old" "$patch" "$patch.out" --quiet && cmp "$patch.out" "$new"
    done 2>&1
}
program() { # PAIR COMPILER...      two versions of the house's own code: a function more, and another constant
    local more='unsigned dx_patch_more(unsigned v) { unsigned i; for (i = v \& 7; i < 99; i++) v = v * 31 + (v >> i % 9); return v; }'
    sed "s/DX_PATCH_P_DROP 48/DX_PATCH_P_DROP 40/; s/^static .*dx_patch_p_zigzag(/$more\n&/" dx_patch.h >"$work/later.h"
    "${@:2}" -O1 -w -s -DDX_PATCH_IMPLEMENTATION -include dx_patch.h -x c "$source" -o "$pairs/$1.old" &&
        "${@:2}" -O1 -w -s -DDX_PATCH_IMPLEMENTATION -include "$work/later.h" -x c "$source" -o "$pairs/$1.new"
}
machine() { # PAIR COMPILER...      for another machine
    if has "$2"; then verdict "pair $1" "$(program "$@" 2>&1 | head -5)"; else skip "pair $1" "$2 is not installed"; fi
}
headers() { # PAIR      the segments that its headers name make its patch smaller than that of the same bytes without their magic
    local side with without
    for side in old new; do { printf '\0\0\0\0' && tail -c +5 "$pairs/$1.$side"; } >"$work/$1.bare.$side"; done
    "$dxpatch" diff "$pairs/$1.old" "$pairs/$1.new" "$work/$1.with" --quiet && with=$(stat -c %s "$work/$1.with") &&
        "$dxpatch" diff "$work/$1.bare.old" "$work/$1.bare.new" "$work/$1.without" --quiet && without=$(stat -c %s "$work/$1.without") &&
        [ $((with * 100)) -le $((without * 99)) ] || echo "$with bytes, $without without headers"
}
sources() { # text: lines moved, changed, added
    cp dx_patch.h "$pairs/text.old" && { sed -n '1200,1400p' dx_patch.h && sed 's/uint32_t/uint64_t/; 700,800d' dx_patch.h && echo end; } >"$pairs/text.new"
}
states() { # a few bytes of a page here and there, and shorter
    head -c 262144 "$pairs/x86-64.old" >"$pairs/state.old"
    sed 's/DX_PATCH/dx_patch/g' "$pairs/state.old" | head -c 200000 >"$pairs/state.new"
}
verdict "dxpatch builds" "$(build 2>&1 | head -5)"
bare="-ffreestanding -nostdlib -Wl,-e,0" source=/dev/null
machine x86-64 "$CC" -shared -fPIC
[ "$(uname -m)" != x86_64 ] || { has_m32 && machine i386 gcc $m32 $bare -Wl,--unresolved-symbols=ignore-all; }
machine aarch64 aarch64-linux-gnu-gcc -shared -fPIC
machine riscv64 riscv64-unknown-elf-gcc -march=rv64imac -mabi=lp64 -mcmodel=medany $bare -Wl,--unresolved-symbols=ignore-all
machine mach-o clang --target=x86_64-apple-macos11 -ffreestanding -nostdlibinc -c
source=examples/hello/hello_patch.c # with a C library
machine armhf arm-linux-gnueabihf-gcc -static
machine pe x86_64-w64-mingw32-gcc -static
verdict "pairs" "$( (sources && states) 2>&1 | head -5)"
if [ "$tier" = native ]; then # newlib is in it twice: half a minute
    left=$((left + 1))
else
    bench/firmware_pair.sh "$pairs" 2>"$work/why" || skip "pair p20-thumb2" "$(cat "$work/why")"
fi
for pair in armhf pe; do
    [ ! -f "$pairs/$pair.new" ] || try "$pair: its headers make its patch smaller" headers $pair
done
if has python3; then
    try "the document's vectors of records" eval 'python3 tests/readers/hde.py vectors >/dev/null'
    try "the document's vectors" eval 'python3 tests/readers/patch.py vectors >/dev/null'
    try "vectors of deflate streams" eval 'python3 tests/readers/container_tokens.py vectors >/dev/null'
    verdict "a maker of deltas of streams builds" "$("$CC" -std=c99 -O1 -o "$work/streams" tests/readers/patch_streams.c 2>&1 | head -5)"
    try "drawn pairs, streams: the reader in Python" eval 'python3 tests/readers/patch_drawn.py "$work/streams" "$work" 60 1 >/dev/null'
    if has node; then
        try "drawn pairs: the reader in JavaScript" eval 'mkdir "$work/drawn" && python3 tests/readers/patch_drawn.py "$work/streams" "$work/drawn" 40 1 keep && node tests/readers/patch.mjs "$work/drawn" >/dev/null'
    else
        skip "the reader in JavaScript" "node is not installed"
    fi
    for old in "$pairs"/*.old; do
        pair=$(basename "$old" .old)
        try "$pair, streams: the reader in Python" streams "$pair"
        for kind in delta blocks flash; do
            case $kind:$pair in delta:* | *:state | flash:p20* | *:text) ;; *) continue ;; esac
            try=try
            [ $kind = delta ] || try=later
            $try "$pair, $kind: the reader in Python" patches "$pair" $kind
        done
    done
else
    skip "the reader in Python" "python3 is not installed"
fi
if has xdelta3; then
    for old in "$pairs"/{p20-thumb2,state,text,x86-64}.old; do [ ! -f "$old" ] || try "$(basename "$old" .old): VCDIFF both ways with xdelta3" vcdiff "$(basename "$old" .old)"; done
else
    skip "VCDIFF" "xdelta3 is not installed"
fi
finish
