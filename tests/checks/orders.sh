#!/bin/bash
# Every order in which the headers can be included, declarations first and the implementation after, and at once.
. "$(dirname "$0")/lib.sh"

permute() { # HEAD REST...    prints one order a line
    local head=$1 i
    shift
    [ $# = 0 ] && echo "$head"
    for i in $(seq $#); do permute "$head ${!i}" "${@:1:i-1}" "${@:i+1}"; done
}

# Odd orders: declarations, then the same order again with the implementation; even orders: at once, then once more.
number=0
while read -r order; do
    file=$work/$((number += 1)).c
    includes=$(printf '#include "%s"\n' $order)
    if [ $((number % 2)) = 1 ]; then
        printf '%s\n' "$includes" "#define DX_IMPLEMENTATION" "$includes" >"$file"
    else
        printf '%s\n' "#define DX_IMPLEMENTATION" "$includes" "$includes" >"$file"
    fi
    try "order $order" "$CC" -std=c99 -Wall -Wextra -fsyntax-only -I"$top" "$file"
done < <(permute "" $headers)
finish
