#!/bin/bash
# dx_hbtp.h: no indirect call in a chain of hooks, the machine code of hand-written hooks, routes that cost the same
# whatever their number, a second implementation of docs/formats/hbtp.md in Python, the sizes on microcontrollers.
. "$(dirname "$0")/lib.sh"

build() { # SOURCE COMPILER...    with the header of this house
    local source=$1
    shift
    "${@:1:1}" -std=c99 -I"$top" "$source" "${@:2}"
}
code() { # OBJECT FUNCTION       its instructions, without padding
    objdump -d --no-show-raw-insn "$1" | awk -v f="<$2>:" '$2 == f { on = 1; next } /^$/ { on = 0 } on' |
        sed 's/^ *[0-9a-f]*:\t//' | grep -vE '^(nop|xchg +%ax,%ax|data16|cs nop)'
}
chain() { # COMPILER
    local object=$work/chain.$1.o hand
    # A table of a switch would look like an indirect call.
    build tests/checks/hbtp_object.c "$1" -O2 -fno-jump-tables -c -o "$object" || return
    code "$object" chained >"$work/$1.chained"
    code "$object" by_hand >"$work/$1.hand"
    code "$object" guarded >"$work/$1.guarded"
    [ -s "$work/$1.chained" ] && [ -s "$work/$1.guarded" ] || echo "no function chained or guarded"
    grep -E '(call|jmp|blr|bctr|jalr)q? +\*' "$work/$1.guarded" && echo "an indirect call with the hooks of the layers"
    grep -E '(call|jmp|blr|bctr|jalr)q? +\*' "$work/$1.chained" && echo "an indirect call"
    hand=$(wc -l <"$work/$1.hand")
    [ "$hand" -gt 0 ] || echo "no function by_hand"
    [ "$(wc -l <"$work/$1.chained")" -le "$hand" ] || echo "$(wc -l <"$work/$1.chained") instructions, by hand $hand"
}
for compiler in gcc clang; do
    if has $compiler; then try "$compiler: a chain takes no more than what one writes by hand" chain $compiler; else skip "$compiler" "not installed"; fi
done

routes() {
    local n counts=
    build tests/checks/hbtp_object.c "$CC" -O2 -o "$work/object" || return
    for n in 1 12 256; do
        counts="$counts $(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured "$work/object" $n 2>&1 |
            sed -n 's/.*Collected : //p')"
    done
    set -- $counts
    [ $# = 3 ] || { echo "callgrind counted nothing"; return; }
    [ "$1" = "$2" ] && [ "$2" = "$3" ] || echo "1, 12, 256 routes: $1, $2, $3 instructions"
}
if has valgrind; then try "property 11: routes cost the same" routes; else skip "routes" "valgrind is not installed"; fi

pairs() { # writes with one language, reads with the other
    build tests/readers/hbtp_pairs.c "$CC" -O1 -o "$work/pairs" || return
    local seed got
    got=$(python3 tests/readers/hbtp_reader.py document docs/formats/hbtp.md) || return
    [ "$got" -ge 22 ] || echo "only $got vectors in the document"
    for seed in 1 2 3; do
        "$work/pairs" write 1500 $seed | python3 tests/readers/hbtp_reader.py check >"$work/read" || return
        [ "$(cat "$work/read")" = 1500 ] || echo "Python read $(cat "$work/read") of 1500"
        python3 tests/readers/hbtp_reader.py write 1500 $seed | "$work/pairs" check >"$work/read" || { cat "$work/read"; return; }
        [ "$(cat "$work/read")" = 1500 ] || echo "C read $(cat "$work/read") of 1500"
    done
}
if has python3; then try "C and Python agree in both directions" pairs; else skip "python" "not installed"; fi

example() { # NAME      its output is the one that lies beside it
    build "examples/$1/$1.c" "$CC" -O2 -Wall -Wextra -Werror -o "$work/$1" -lpthread || return
    "$work/$1" >"$work/$1.out" || echo "status $?"
    diff "examples/$1/$1.expected" "$work/$1.out"
}
# A StateDelta that carries a block patch; streams with credit; sessions on connections.
for name in state stream service; do try "examples/$name" example $name; done

small() { # NAME MOST-1 MOST-2 COMPILER...    bytes of code and constants beyond an empty program
    local name=$1 most1=$2 most2=$3 variant sizes=
    shift 3
    for variant in 0 1 2; do
        build tests/checks/hbtp_small.c "$@" -Os -ffreestanding -ffunction-sections -fdata-sections -nostartfiles -nostdlib \
            -Wl,--gc-sections,-emain -DSMALL=$variant -o "$work/$name.$variant" -lgcc >"$work/$name.log" 2>&1 || { cat "$work/$name.log"; return; }
        sizes="$sizes $(size "$work/$name.$variant" | awk 'NR == 2 { print $1 + $2 }')"
    done
    set -- $sizes
    echo "$name $(($2 - $1)) $(($3 - $1))" >>"$work/sizes"
    [ $(($2 - $1)) -le "$most1" ] || echo "parse, route, reply: $(($2 - $1)) bytes, more than $most1"
    [ $(($3 - $1)) -le "$most2" ] || echo "session, limits, streams, hooks: $(($3 - $1)) bytes, more than $most2"
}
while read -r name most1 most2 compiler flags; do
    has "$compiler" || { skip "$name" "$compiler is not installed"; continue; }
    try "code on $name" small "$name" "$most1" "$most2" "$compiler" $flags
done <<END
Cortex-M0 512 7500 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
Cortex-M3 512 7050 arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb
rv32imc 512 8250 riscv64-unknown-elf-gcc -march=rv32imc -mabi=ilp32
END
wait
[ ! -s "$work/sizes" ] || sort "$work/sizes" | awk 'BEGIN { print "bytes of code: parse + route + reply; with session, limits, streams, three hooks" }
    { print "    " $1 ": " $2 "; " $3 }'
finish
