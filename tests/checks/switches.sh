#!/bin/bash
# The switches that leave parts of a header out: each alone and all together compile without a warning, the rest works, and the
# table CODE in the header's head says what they save on a Cortex-M0, within 2 % of the whole.
. "$(dirname "$0")/lib.sh"

# Lines of a table:  NUMBER  SWITCHES..., with what they mean behind a colon. Prints SWITCHES|NUMBER; "all" is the header as it is.
table() { # HEADER
    awk '/^    CODE / { inside = 1; next }
         inside && !/^        / { exit }
         inside && match($0, /^        +[0-9][0-9,]* /) {
             number = $1
             gsub(/,/, "", number)
             sub(/^ +[0-9,]+ +/, "")
             sub(/:.*/, "")
             print $0 "|" number
         }' "$1"
}
flags_of() { # SWITCHES     as -D options
    [ "$1" = all ] || printf ' -D%s' $1
}
code_of() { # HEADER SWITCHES
    arm-none-eabi-gcc -std=c99 -Os -DNDEBUG -mcpu=cortex-m0 -mthumb -ffreestanding $(flags_of "$2") $(including "$1") \
        -DDX_IMPLEMENTATION -c "$one" -o "$work/switched.o" && arm-none-eabi-size "$work/switched.o" | awk 'NR == 2 { print $1 }'
}
is_true() { # HEADER SWITCHES NUMBER
    local got
    got=$(code_of "$1" "$2") || { echo "does not compile"; return; }
    [ $((got * 50)) -le $(($3 * 51)) ] && [ $((got * 50)) -ge $(($3 * 49)) ] || echo "$got bytes, the table says $3"
}
compiles() { # COMPILER LANGUAGE HEADER SWITCHES
    local warnings=$strict
    [ "$2" = c99 ] || warnings=$strict_cxx
    $1 -std=$2 $warnings -O2 $(flags_of "$4") $(including "$3") -DDX_IMPLEMENTATION -x "${2%%[0-9]*}" -c "$one" -o /dev/null 2>&1 |
        sed 's/^/  /'
}
# The hello program of a header knows nothing of what the switches take away.
works() { # HEADER NAME SWITCHES
    local folder
    folder=$(mktemp -d -p "$work")
    gcc -O1 $(flags_of "$3") -o "$folder/hello" "examples/hello/$2.c" || return
    (cd "$folder" && ./hello) | diff - "examples/hello/$2.expected"
}
refuses() { # SWITCHES     of dx_patch.h: a patch of a kind that is left out is refused, not misread
    gcc -O1 -o "$work/make" "$checks/compile/kinds.c" && gcc -O1 $(flags_of "$1") -o "$work/apply" "$checks/compile/kinds.c" || return
    "$work/make" make "$work/kinds" && "$work/apply" apply "$work/kinds"
}

for h in $headers; do
    table "$h" >"$work/table"
    [ -s "$work/table" ] || continue
    while IFS='|' read -r switches number; do
        for compiler in gcc clang; do
            has $compiler && try "$h, $compiler: $switches" compiles $compiler c99 "$h" "$switches"
        done
        case $switches in *NO_CREATE*) ;; *) has g++ && try "$h, g++: $switches" compiles g++ c++11 "$h" "$switches" ;; esac
        if ! has arm-none-eabi-gcc; then
            skip "$h on a Cortex-M0: $switches" "no arm-none-eabi-gcc"
        elif [ "$(arm-none-eabi-gcc -dumpversion | cut -d. -f1)" != 12 ]; then
            skip "$h on a Cortex-M0: $switches" "the table is of gcc 12"
        else
            try "$h on a Cortex-M0: $switches" is_true "$h" "$switches" "$number"
        fi
    done <"$work/table"
done
small() {
    python3 "$checks/small/size.py" >"$work/small" && python3 "$checks/small/compare.py" "$work/small" docs/sizes.md
}
if [ -f docs/sizes.md ]; then
    if ! has arm-none-eabi-gcc || ! has riscv64-unknown-elf-gcc; then
        skip "docs/sizes.md" "no arm-none-eabi-gcc or no riscv64-unknown-elf-gcc"
    elif [ "$(arm-none-eabi-gcc -dumpversion | cut -d. -f1)" != 12 ]; then
        skip "docs/sizes.md" "it is of gcc 12"
    else
        try "docs/sizes.md is what small programs take" small
    fi
fi
if [ -f dx_patch.h ]; then
    try "dx_patch.h without blocks and flash makes and applies deltas" works dx_patch.h hello_patch "DX_PATCH_NO_FLASH"
    try "dx_patch.h refuses patches of flash and blocks that it was built without" refuses "DX_PATCH_NO_FLASH DX_PATCH_NO_BLOCKS"
    try "dx_cas.h without repair and deltas stores" works dx_cas.h hello_cas "DX_CAS_NO_REPAIR DX_CAS_NO_DELTAS"
fi
finish
