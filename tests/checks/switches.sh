#!/bin/bash
# The switches that remove parts of a header. Each alone and all together: the header compiles without a warning, needs no more
# than before, contains nothing of the removed part, and the rest works. The tables SWITCHES (their savings) and USES (sizes of
# small programs) in its head, and docs/sizes.md, match the cross compilers' output within 2 %.
. "$(dirname "$0")/lib.sh"

everything="-Weverything -Wno-padded -Wno-declaration-after-statement"
for w in unsafe-buffer-usage switch-default pre-c11-compat; do
    accepts clang "-Wno-$w" && everything="$everything -Wno-$w"
done
by_words="-DDX_CAS_LANES=1" # the vectors of dx_cas.h take seconds, and other gates look at them

compiles() { # HEADER COMPILER FLAGS...
    local h=$1
    shift
    # All of clang's warnings come from its front end.
    case $1 in clang*) set -- "$@" -fsyntax-only ;; *) set -- "$@" -S -o /dev/null ;; esac
    "$@" $by_words $(including "$h") -DDX_IMPLEMENTATION "$one"
}
# The names that must be gone with a switch. The names of kinds and codings of patches stay: a header is read as before.
gone_with() { # SWITCH
    case $1 in
        DX_CAS_NO_REPAIR) echo 'dx_cas_repair[a-z_]*' ;;
        DX_CAS_NO_STREAMS) echo 'dx_cas_(p_)?(writer|reader)[a-z_]*|dx_cas_content|dx_cas_put_fn' ;;
        DX_CAS_NO_DELTAS) echo 'dx_cas_(p_)?delta[a-z_]*|DX_CAS_DELTA_[A-Z_]*' ;;
        DX_PATCH_NO_CREATE) echo 'dx_patch_(p_)?(create[a-z_]*|bound|make_(body|coded|delta|matches|plain|range))|one_way|slot_size' ;;
        DX_PATCH_NO_FLASH) echo 'dx_patch_(p_f|flash)_[a-z_]*|DX_PATCH_FLASH_(READ|WRITE|ERASE)|slot_size' ;;
        DX_PATCH_NO_BLOCKS) echo 'dx_patch_(apply_in_place|undo)|dx_patch_p_((start|next|take|xor)_runs?|runs|window_of_runs|xor[a-z_]*|make_blocks)|(one_way|undo|runs_);' ;;
        DX_PATCH_NO_STREAMS) echo 'dx_patch_p_(take_section|decode_section|lines)[a-z_]*' ;;
    esac
}
taken_out() { # HEADER SWITCH ALL-SWITCHES...
    local names now left
    names=$(gone_with "$2")
    [ -n "$names" ] || { echo "tests/checks/switches.sh does not say what $2 takes out"; return; }
    $CC -E $(including "$1") -DDX_IMPLEMENTATION "$one" | grep -qE "\<($names)([^a-z_]|$)" || { echo "nothing is called $names without it"; return; }
    now=$($CC -E "${@:3}" $(including "$1") -DDX_IMPLEMENTATION "$one") || return
    # With DX_PATCH_NO_CREATE a flash patch still has a slot.
    case $2 in DX_PATCH_NO_CREATE) names=${names%|slot_size} ;; esac
    left=$(grep -oE "\<($names)([^a-z_]|$)" <<<"$now" | sort -u)
    [ -z "$left" ] || echo "of $2 there is" $left
}
needs_nothing() { # HEADER FLAGS...     but the four functions of memory
    local out
    out=$(mktemp -p "$work" --suffix=.o)
    $CC -Os -std=c99 -ffreestanding -nostdlib $by_words "${@:2}" $(including "$1") -DDX_IMPLEMENTATION -c "$one" -o "$out" || return
    nm -u "$out" | awk '{ print $NF }' | grep -vxE 'memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_' | sed 's/^/needs /'
    return 0
}
works() { # HEADER FLAGS...
    local folder
    folder=$(mktemp -d -p "$work")
    case $1 in
        dx_cas.h) $CC -std=c99 -Wall -Wextra $by_words "${@:2}" -o "$folder/program" "$checks/compile/parts.c" && "$folder/program" ;;
        dx_patch.h)
            $CC -std=c99 -Wall -Wextra "${@:2}" -o "$folder/program" "$checks/compile/kinds.c" && "$folder/program" check "$work/kinds" ;;
    esac || echo "status $?"
}
looked_at() { # HEADER SWITCHES...       one set of them
    local h=$1 flags switch name="$1 ${*:2}"
    flags=$(printf ' -D%s' "${@:2}")
    ! has gcc || try "$name gcc" compiles "$h" gcc -std=c99 $strict $flags
    ! has clang || try "$name clang" compiles "$h" clang -std=c99 $everything $flags
    for compiler in g++ clang++; do
        ! has $compiler || try "$name $compiler" compiles "$h" $compiler -std=c++11 $strict_cxx $flags -x c++
    done
    try "$name freestanding" needs_nothing "$h" $flags
    for switch in "${@:2}"; do
        case $switch in *_NO_*) try "$name: $switch takes it out" taken_out "$h" "$switch" $flags ;; esac
    done
    [ ! -f "$h" ] || try "$name works" works "$h" $flags
}
refused() { # SWITCHES...      that contradict each other
    ! $CC $(printf ' -D%s' "$@") $(including dx_patch.h) -fsyntax-only "$one" 2>/dev/null || echo "compiles"
}

# The switches of each table, in the sets that are looked at.
sets="dx_cas.h DX_CAS_NO_REPAIR
dx_cas.h DX_CAS_NO_STREAMS
dx_cas.h DX_CAS_NO_DELTAS
dx_cas.h DX_CAS_SMALL DX_CAS_NO_REPAIR DX_CAS_NO_STREAMS DX_CAS_NO_DELTAS
dx_patch.h DX_PATCH_NO_FLASH
dx_patch.h DX_PATCH_NO_BLOCKS
dx_patch.h DX_PATCH_NO_FLASH DX_PATCH_NO_BLOCKS
dx_patch.h DX_PATCH_NO_CREATE
dx_patch.h DX_PATCH_NO_CREATE DX_PATCH_NO_FLASH
dx_patch.h DX_PATCH_NO_CREATE DX_PATCH_NO_BLOCKS
dx_patch.h DX_PATCH_NO_CREATE DX_PATCH_NO_STREAMS
dx_patch.h DX_PATCH_NO_CREATE DX_PATCH_NO_FLASH DX_PATCH_NO_BLOCKS DX_PATCH_NO_STREAMS"
if [ -f dx_patch.h ] && [ -f dx_cas.h ]; then
    mkdir "$work/kinds" && $CC -std=c99 -o "$work/make" "$checks/compile/kinds.c" && "$work/make" make "$work/kinds"
    while read -r h switches; do looked_at "$h" $switches; done <<<"$sets"
    try "dx_patch.h refuses a small flash applier without flash" refused DX_PATCH_NO_FLASH DX_PATCH_FLASH_SMALL
    try "dx_patch.h refuses a maker without streams" refused DX_PATCH_NO_STREAMS
fi

arm_gcc_12() { has arm-none-eabi-gcc && [ "$(arm-none-eabi-gcc -dumpversion | cut -d. -f1)" = 12 ]; }
for h in $headers; do
    grep -qE '^    SWITCHES ' "$h" || continue
    for switch in $(python3 "$checks/small/tables.py" names "$h"); do
        [ ! -f dx_patch.h ] || [[ " $(tr '\n' ' ' <<<"$sets") " == *" $switch "* ]] || verdict "$h $switch" "no set has it"
    done
    if arm_gcc_12; then
        try "$h: what switches save on a Cortex-M0" python3 "$checks/small/tables.py" switches "$h"
    else
        skip "$h: what switches save on a Cortex-M0" "no arm-none-eabi-gcc 12, of which the table is"
    fi
done
small() {
    python3 "$checks/small/size.py" >"$work/small" || return
    python3 "$checks/small/compare.py" "$work/small" docs/sizes.md
    for h in $headers; do
        ! grep -qE '^    USES ' "$h" || python3 "$checks/small/tables.py" uses "$h" "$work/small" | sed "s/^/$h: /"
    done
}
if [ -f docs/sizes.md ]; then
    if arm_gcc_12 && has riscv64-unknown-elf-gcc; then
        try "docs/sizes.md and the tables USES are what small programs take" small
    else
        skip "docs/sizes.md and the tables USES" "no arm-none-eabi-gcc 12 or no riscv64-unknown-elf-gcc"
    fi
fi
[ "$cases" -gt 0 ] || skip "switches" "no header has a table of them"
finish
