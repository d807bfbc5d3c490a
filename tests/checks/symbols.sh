#!/bin/bash
# A header exports nothing without its name: no symbol, no macro; nothing at all when static.
. "$(dirname "$0")/lib.sh"

# Macros that the file itself has defined and not undefined at the end of the translation unit.
own_macros() { # HEADER FLAGS...
    local h=$1
    shift
    $CC -E -dD $(including "$h") "$@" "$one" |
        awk -v h="$h" '/^# [0-9]+ "/ { own = $3 ~ "/" h "\"$" || $3 == "\"" h "\"" }
             /^#define / && own { sub(/\(.*/, "", $2); left[$2] = 1 }
             /^#undef / { delete left[$2] }
             END { for (name in left) print name }'
}
macros() { # HEADER FLAGS...
    local x
    x=$(upper "$1")
    local left=$work/macros.$1.$#
    own_macros "$@" >"$left"
    grep -qx "${x}_VERSION" "$left" || echo "${x}_VERSION is not defined"
    grep -vE "^(${x}_[A-Z0-9_a-z]+|DX_IMPLEMENTATION)$" "$left"
    return 0
}
symbols() { # HEADER
    local name=${1%.h}
    $CC -c $(including "$1") -DDX_IMPLEMENTATION "$one" -o "$work/$name.o" || return
    nm -g --defined-only "$work/$name.o" >"$work/$name.nm"
    [ -s "$work/$name.nm" ] || echo "exports nothing"
    awk -v name="^${name}_" '$3 !~ name { print "exports " $3 }' "$work/$name.nm"
}
# No mutable data, neither shared nor thread-local (tables of constants need no relocation without -fpic).
data() { # HEADER
    local name=${1%.h}
    $CC -fno-pic -c $(including "$1") -DDX_IMPLEMENTATION "$one" -o "$work/$name.data.o" || return
    nm "$work/$name.data.o" | awk '$2 ~ /^[bBdDCsSgG]$/ { print "variable " $3 }'
}
private() { # HEADER
    local name=${1%.h}
    $CC -c $(including "$1") -DDX_IMPLEMENTATION -D"$(upper "$1")_STATIC" "$one" -o "$work/$name.static.o" || return
    nm -g --defined-only "$work/$name.static.o" | awk '{ print "exports " $3 }'
}
for h in $headers; do
    try "$h macros of the declarations" macros "$h"
    try "$h macros of the implementation" macros "$h" -DDX_IMPLEMENTATION
    try "$h symbols" symbols "$h"
    try "$h no global variables" data "$h"
    try "$h static exports nothing" private "$h"
done
finish
