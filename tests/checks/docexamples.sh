#!/bin/bash
# The quick example of every header and every C program in the documents compile without a warning and run.
. "$(dirname "$0")/lib.sh"
run_it() { # SOURCE      in C; in C++ it compiles as well, under a project's usual flags
    $CC -std=gnu11 -Wall -Wextra -Werror -I"$top" "$1" -o "${1%.c}" -lpthread || return
    ! has g++ || g++ -std=c++17 -Wall -Wextra -Werror -I"$top" -x c++ -fsyntax-only "$1" || return
    (cd "$work" && "${1%.c}" >"${1%.c}.out" 2>&1) || { echo "ended with status $?"; cat "${1%.c}.out"; }
}
quick() { # HEADER
    local source=$work/quick_${1%.h}.c
    awk '/^    QUICK EXAMPLE/ { on = 1; next } /^    CONTENTS/ { exit } on' "$1" >"$work/quick_$1.text"
    {
        printf '#define DX_IMPLEMENTATION\n#include "%s"\n#include <stdio.h>\n#include <string.h>\n' "$1"
        if grep -q 'int main' "$work/quick_$1.text"; then
            cat "$work/quick_$1.text"
        else
            echo "int main(void) {"
            cat "$work/quick_$1.text"
            printf 'return 0;\n}\n'
        fi
    } >"$source"
    grep -q '[a-z]' "$work/quick_$1.text" || echo "has no QUICK EXAMPLE"
    run_it "$source"
}
for h in $headers; do try "$h quick example" quick "$h"; done

# Blocks that begin with ```c and hold a main function, one file each.
for document in *.md docs/*.md docs/formats/*.md layers/*.md programs/*/*.md examples/*/*.md; do
    [ -f "$document" ] || continue
    awk -v base="$work/doc_$(echo "$document" | tr -c 'a-zA-Z0-9\n' _)_" '
        /^```c$/ { on = 1; file = base (++n) ".c"; next }
        /^```/ { on = 0; if (file != "") close(file); next }
        on { print >file }' "$document"
    for source in "$work/doc_$(echo "$document" | tr -c 'a-zA-Z0-9\n' _)"_*.c; do
        grep -qs 'int main' "$source" || continue
        try "$document block ${source##*_}" run_it "$source"
    done
done
finish
