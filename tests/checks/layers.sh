#!/bin/bash
# Layers are products like the cores: each file of layers/ is delivered alone with its dependencies, under the same rules. This
# gate finds the files by itself and fails for one that is missing in the table below.
. "$(dirname "$0")/lib.sh"

# LAYER, whether it needs an operating system, and options that are compiled, too.
traits="dx_bao freestanding
dx_bulk freestanding
dx_cache freestanding
dx_chunks freestanding
dx_codec freestanding -DDX_CODEC_ZSTD -DDX_CODEC_SODIUM
dx_crc32c freestanding
dx_devices freestanding
dx_dump freestanding
dx_edge freestanding
dx_frames hosted
dx_hde freestanding -DDX_HDE_ZSTD -DDX_PATCH_NO_CREATE
dx_htip freestanding
dx_link hosted
dx_merkle freestanding
dx_middleware freestanding
dx_nor freestanding
dx_page freestanding
dx_peers hosted
dx_queries freestanding
dx_ring freestanding
dx_sha256 freestanding -DDX_SHA256_PORTABLE
dx_states freestanding
dx_token freestanding
dx_tree freestanding
dx_versions freestanding
dx_watch hosted
dx_window freestanding"
# Not products yet.
pending=""
# LAYERS="dx_nor dx_tree": only these.
[ -z "${DX_TOP:-}" ] || { traits="dx_storey freestanding" pending=; } # the house of selftest.sh

everything="-Weverything -Wno-padded -Wno-declaration-after-statement -Wno-used-but-marked-unused"
for w in unsafe-buffer-usage switch-default pre-c11-compat; do
    accepts clang "-Wno-$w" && everything="$everything -Wno-$w"
done
has_library() { # OPTION: its dependencies are installed
    case $1 in *_ZSTD) echo "#include <zstd.h>" | gcc -x c -fsyntax-only - 2>/dev/null ;; *_SODIUM) echo "#include <sodium.h>" | gcc -x c -fsyntax-only - 2>/dev/null ;; esac
}

# ---------------------------------------------------------------- compiling
#
# Without a warning: declarations alone, the implementation alone (DX_NAME_IMPLEMENTATION: dependencies are only declared), static.
compiled() { # LAYER OPTIONS
    local name=$1 x here="$1${2:+ }$2" one_of
    x=$(upper "$name")
    one_of="-D${x}_IMPLEMENTATION"
    set -- $(including "layers/$name.h") $2
    try "$here gcc strict" gcc -std=c99 -O2 $strict "$@" $one_of -S "$one" -o /dev/null
    later "$here gcc strict NDEBUG" gcc -std=c99 -O0 -DNDEBUG $strict "$@" $one_of -S "$one" -o /dev/null
    ! has clang || try "$here clang everything" clang -std=c99 $everything "$@" $one_of -fsyntax-only "$one"
    for compiler in g++ clang++; do
        has $compiler || { skip "$here $compiler" "not installed"; continue; }
        for std in c++11 c++20; do
            try=try
            [ $std = c++11 ] || try=later
            $try "$here $compiler $std" $compiler -std=$std $strict_cxx "$@" $one_of -x c++ "$one" -S -o /dev/null
        done
    done
    try "$here gcc declarations" gcc -std=c99 $strict "$@" -S "$one" -o /dev/null
    later "$here gcc static" gcc -std=c99 $strict "$@" $one_of "-D${x}_STATIC" -S "$one" -o /dev/null
}

# Nothing but memcpy, memmove, memset and memcmp, the compilers' own functions, and its dependencies.
undefined() { # NAME OUTPUT COMPILER...
    local name=$1 out=$2
    "${@:3}" || return
    nm -u "$out" | awk '{ print $NF }' | grep -vxE "memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|__(aeabi_[a-z0-9]+|gnu_thumb1_case_[a-z]+|u?(div|mod|divmod)[sd]i[34]|(clz|ctz|popcount|bswap)[sd]i2)" |
        grep -vE "^($(below "$name"))_" | sed 's/^/needs /'
    return 0
}
freestanding() { # NAME
    local name=$1 one_of
    one_of="-D$(upper "$name")_IMPLEMENTATION"
    while read -r machine compiler flags; do
        has "$compiler" || { skip "$name $machine" "$compiler is not installed"; continue; }
        [ "$machine" != i386 ] || has_m32 || { skip "$name i386" "gcc has no 32-bit C library here"; continue; }
        try=try
        [ "$machine" != host ] || try=later
        $try "$name $machine" undefined "$name" "$work/$name.$machine.o" $compiler $flags -O2 -std=c99 -Wall -Wextra -ffreestanding \
            -nostdlib $(including "layers/$name.h") $one_of -c "$one" -o "$work/$name.$machine.o"
    done <<MACHINES
host $CC
i386 gcc -m32 -fno-pic
cortex-m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
s390x s390x-linux-gnu-gcc
MACHINES
}

# ---------------------------------------------------------------- delivery
symbols() { # NAME: one program's share of it
    $CC -fno-pic -c $(including "layers/$1.h") "-D$(upper "$1")_IMPLEMENTATION" "$one" -o "$work/$1.o" || return
    nm --defined-only "$work/$1.o" >"$work/$1.nm"
    awk -v name="^$1_" '$2 ~ /^[A-Z]$/ && $3 !~ name { print "exports " $3 }
                        $2 ~ /^[bBdDCsSgG]$/ { print "variable " $3 }' "$work/$1.nm"
}
static_symbols() { # NAME
    $CC -c $(including "layers/$1.h") "-D$(upper "$1")_IMPLEMENTATION" "-D$(upper "$1")_STATIC" "$one" -o "$work/$1.static.o" || return
    nm -g --defined-only "$work/$1.static.o" | awk '{ print "exports " $3 " when static" }'
}
macros() { # NAME
    local x
    x=$(upper "$1")
    $CC -E -dD $(including "layers/$1.h") "-D${x}_IMPLEMENTATION" "$one" |
        awk -v h="/layers/$1.h\"" '/^# [0-9]+ "/ { own = index($3, h) }
             /^#define / && own { sub(/\(.*/, "", $2); left[$2] = 1 }
             /^#undef / { delete left[$2] }
             END { for (name in left) print name }' >"$work/macros.$1"
    grep -qx "${x}_VERSION" "$work/macros.$1" || echo "${x}_VERSION is not defined"
    grep -vE "^${x}_[A-Z0-9_a-z]+$" "$work/macros.$1"
    return 0
}
# It includes C's own three headers and its dependencies, each file of dx only if it was not included before.
includes() { # NAME
    local file guard
    declarations_of "layers/$1.h" | grep -E '^ *# *include <' | grep -vE '<std(bool|def|int)\.h>'
    behind_head "layers/$1.h" >"$work/$1.behind"
    grep -nE '^ *# *include "' "$work/$1.behind" | sed 's/^\([0-9]*\):.*"\(.*\)"/\1 \2/' | while read -r line file; do
        [ -f "layers/$file" ] || { echo "line $line: no file layers/$file"; continue; }
        guard=$(upper "$(basename "$file")")_H
        sed -n "$((line - 1))p" "$work/$1.behind" | grep -qx "#ifndef $guard" || echo "line $line: not under #ifndef $guard"
        case $file in ../dx_*.h | dx_*.h) ;; *) echo "line $line: neither a core nor a layer" ;; esac
    done
}
declarations_of() { awk -v end="$(upper "$1")_IMPLEMENTATION" '/^#if/ && index($0, end) { exit } { print }' "$1"; }
head_comment() { # NAME
    awk '{ print } /\*\// { exit }' "layers/$1.h" >"$work/$1.head"
    for part in "Do this in ONE C or C++ file" "QUICK EXAMPLE" "CONTENTS" "GUARANTEES" "LIMITS" "SIZE " "THREADS" "CONFIG" "ERRORS" "OWNERSHIP"; do
        grep -q "$part" "$work/$1.head" || echo "says nothing about $part"
    done
    # CONTENTS, in one of two spellings, has the first word of each section; each of its words is in a section's line.
    awk '/^    CONTENTS/ { on = 1; sub(/^    CONTENTS *(\(search[^)]*\))?/, ""); sub(/what you may call/, ""); print; next }
         on && /[^ ]/ && !/^     / { exit }
         on { sub(/what you may call/, ""); print }' "$work/$1.head" | grep -oE '[a-z0-9-]+' >"$work/$1.contents"
    sed -nE 's,^/\* >>([a-z0-9 -]*).*,\1,p' "layers/$1.h" >"$work/$1.sections"
    tr ' ' '\n' <"$work/$1.sections" | grep -vxFf - "$work/$1.contents" | sed 's/.*/has no section &/'
    cut -d ' ' -f 1 "$work/$1.sections" | grep -vxFf "$work/$1.contents" - | sed 's/.*/CONTENTS is silent about &/'
    tail -n 30 "layers/$1.h" | grep -q '>>license ---' || tail -n 40 "layers/$1.h" | grep -q '>>license ---' || echo "no licence at its end"
}
figures() { python3 "$checks/small/layers.py" "layers/$1.h"; } # NAME: SIZE in its head is what the compilers make
example() { # NAME
    awk '/^    QUICK EXAMPLE/ { on = 1; next } on && /^    [^ ]/ { exit } on' "layers/$1.h" >"$work/$1.text"
    {
        printf '#define DX_IMPLEMENTATION\n#include "layers/%s.h"\n#include <stdio.h>\n#include <string.h>\n' "$1"
        if grep -q 'int main' "$work/$1.text"; then cat "$work/$1.text"; else printf 'int main(void) {\n%s\nreturn 0;\n}\n' "$(cat "$work/$1.text")"; fi
    } >"$work/quick_$1.c"
    grep -q '[a-z]' "$work/$1.text" || { echo "has no QUICK EXAMPLE"; return; }
    $CC -std=gnu11 -Wall -Wextra -Werror $by_words -I"$top" "$work/quick_$1.c" -o "$work/quick_$1" -lpthread || return
    ! has g++ || g++ -std=c++17 -Wall -Wextra -Werror -I"$top" -x c++ -fsyntax-only "$work/quick_$1.c" || return
    (cd "$work" && "./quick_$1" >"quick_$1.out" 2>&1) || { echo "ended with status $?"; cat "$work/quick_$1.out"; }
}
# Copied into one empty folder, without folders: dependencies are included first.
flat() { # NAME
    local folder all
    folder=$(mktemp -d -p "$work")
    all=$(stands_on "$1")
    for file in $all $1; do cp "$top/$file.h" "$folder" 2>/dev/null || cp "$top/layers/$file.h" "$folder"; done
    {
        echo "#define DX_IMPLEMENTATION"
        for file in $all $1; do echo "#include \"$file.h\""; done
        echo "int main(void) { return 0; }"
    } >"$folder/main.c"
    (cd "$folder" && $CC -std=c99 main.c -o main -lpthread && ./main)
}
renamed() { # NAME: a second copy with another prefix next to the first one, in one file
    local all
    all=$(stands_on "$1")
    mkdir -p "$work/$1.renamed/layers"
    for file in $all $1; do
        for path in "$file.h" "layers/$file.h"; do
            [ ! -f "$path" ] || { cp "$path" "$work/$1.renamed/$path"
                sed 's/dx_/aa_/g; s/DX_/AA_/g' "$path" >"$work/$1.renamed/${path/dx_/aa_}"; }
        done
    done
    printf '#define DX_IMPLEMENTATION\n#include "layers/%s.h"\n#define AA_IMPLEMENTATION\n#include "layers/%s.h"\n' "$1" "${1/dx_/aa_}" >"$work/$1.two.c"
    $CC -std=c99 -Wall -Wextra -Werror -I"$work/$1.renamed" -fsyntax-only "$work/$1.two.c"
}

behind_head() { sed '1,/\*\//d' "$1"; } # everything except the comment at the top of a file, which shows an include of itself
# The includes of a layer, recursively: names without .h, lowest first.
stands_on() { # NAME [DEPTH]
    local file depth=${2:-0}
    [ "$depth" -lt 8 ] || return # tests/checks/floors.sh refuses circles
    for file in $(behind_head "layers/$1.h" | sed -n 's/^ *# *include "\(\.\.\/\)*\(dx_[a-z0-9_]*\)\.h".*/\2/p'); do
        [ ! -f "layers/$file.h" ] || stands_on "$file" $((depth + 1))
        echo "$file"
    done | awk '!seen[$0]++'
}
below() { stands_on "$1" | tr '\n' '|' | sed 's/$/none/'; }
wanted() { [ -z "${LAYERS:-}" ] || case " $LAYERS " in *" $1 "*) ;; *) return 1 ;; esac; }
is_pending() { case " $pending " in *" $1 "*) return 0 ;; esac; return 1; }

# ---------------------------------------------------------------- the cases
for file in layers/dx_*.h; do
    name=$(basename "$file" .h)
    echo "$traits" | grep -q "^$name " || verdict "$name is known" "tests/checks/layers.sh says nothing about it"
done
while read -r name kind options; do
    wanted "$name" || continue
    ! is_pending "$name" || { skip "$name" "not a product yet"; continue; }
    [ -f "layers/$name.h" ] || { verdict "$name is there" "no file layers/$name.h"; continue; }
    compiled "$name" ""
    for option in $options; do
        if has_library "$option"; then compiled "$name" "$option"; else skip "$name $option" "its library is not installed"; fi
    done
    functions "layers/$name.h" >"$work/functions"
    median=$(cut -d ' ' -f 2 "$work/functions" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] + 0 }')
    verdict "$name functions, $median lines in the median" "$([ "$median" -le 15 ] || echo "too long")"
    verdict "$name longest function" "$(awk '$2 > 70 { print "line " $1 ": " $3 " has " $2 " lines" }' "$work/functions")"
    [ "$kind" != freestanding ] || freestanding "$name"
    verdict "$name columns" "$(awk 'length($0) > 100 { print "line " NR ": " length($0) " columns" }' "layers/$name.h")"
    verdict "$name head comment" "$(head_comment "$name")"
    verdict "$name version" "$(version "layers/$name.h")"
    verdict "$name includes" "$(includes "$name")"
    try "$name symbols" symbols "$name"
    later "$name static symbols" static_symbols "$name"
    try "$name macros" macros "$name"
    try "$name quick example" example "$name"
    [ -n "${DX_TOP:-}" ] || later "$name size in its head" figures "$name"
    later "$name in one folder" flat "$name"
    later "$name in two copies" renamed "$name"
done <<<"$traits"

# Any two in either order, declarations first and the implementation after; then all of them, in both orders, and in C++.
names=$(echo "$traits" | cut -d ' ' -f 1 | while read -r name; do is_pending "$name" || echo "$name"; done)
pairs() { # NAME: with each of the others
    local other
    for other in $names; do
        printf '#include "layers/%s.h"\n#include "layers/%s.h"\n' "$1" "$other" >"$work/pair.$1.c"
        $CC -std=c99 -Wall -Wextra -fsyntax-only -I"$top" "$work/pair.$1.c" || echo "before $other"
    done
}
for name in $names; do
    ! wanted "$name" || later "$name declared before any other" pairs "$name"
done
together() { # ORDER COMPILER...
    local file list
    file=$(mktemp -p "$work" --suffix=.c)
    list=$(for name in $1; do printf '#include "layers/%s.h"\n' "$name"; done)
    printf '%s\n#define DX_IMPLEMENTATION\n%s\n' "$list" "$list" >"$file"
    "${@:2}" -Wall -Wextra -I"$top" "$file"
}
try "all layers together" together "$names" "$CC" -std=c99 -fsyntax-only
try "all layers together, backwards" together "$(echo "$names" | tac)" "$CC" -std=c99 -fsyntax-only
! has g++ || try "all layers together in C++" together "$names" g++ -std=c++17 -x c++ -fsyntax-only
finish
