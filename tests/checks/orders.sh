#!/bin/bash
# Every order in which the headers can be included, declarations first and the implementation after, and at once.
. "$(dirname "$0")/lib.sh"

permute() { # HEAD REST...    prints one order a line
    local head=$1 i
    shift
    [ $# = 0 ] && echo "$head"
    for i in $(seq $#); do permute "$head ${!i}" "${@:1:i-1}" "${@:i+1}"; done
}

# Odd orders: declarations, then the same order again with the implementation; even orders: at once, then once more. Of both
# kinds `make test` takes every ninth.
number=0
while read -r order; do
    file=$work/$((number += 1)).c
    includes=$(printf '#include "%s"\n' $order)
    if [ $((number % 2)) = 1 ]; then
        printf '%s\n' "$includes" "#define DX_IMPLEMENTATION" "$includes" >"$file"
    else
        printf '%s\n' "#define DX_IMPLEMENTATION" "$includes" "$includes" >"$file"
    fi
    try=later
    [ $((number % 9)) != 1 ] || try=try
    $try "order $order" "$CC" -std=c99 -Wall -Wextra -fsyntax-only -I"$top" "$file"
done < <(permute "" $headers)

# Memory functions of one's own, defined between the declarations and the implementation. Those of dx_teleport.h come
# before both: types are defined with them wherever its declarations are.
for h in ${headers/dx_teleport.h/} $(ls layers/dx_*.h 2>/dev/null); do
    name=$(upper "$h")
    file=$work/own_$name.c
    {
        printf '#include "%s"\n' "$h"
        for function in memcpy memmove memset memcmp; do
            printf '#define %s_%s(a, b, n) __builtin_%s(a, b, n)\n' "$name" "$(echo $function | tr a-z A-Z)" $function
        done
        printf '#define %s_IMPLEMENTATION\n#include "%s"\n' "$name" "$h"
    } >"$file"
    try "$h with own memory functions" "$CC" -std=c99 -Wall -Wextra -fsyntax-only -I"$top" "$file"
done
finish
