#!/bin/bash
# Two renamed copies of every header coexist with the original: in one program, and in one
# file.
. "$(dirname "$0")/lib.sh"
copies="dx aa bb"
for copy in $copies; do
    for h in $headers; do
        sed "s/dx_/${copy}_/g; s/DX_/$(echo $copy | tr a-z A-Z)_/g" "$h" >"$work/${h/dx_/${copy}_}"
    done
done

program() { # HEADER
    local name=${1#dx_} copy objects= flags="-std=c99 -Wall -Wextra -Werror -I$work"
    name=${name%.h}
    for copy in $copies; do
        printf '#define %s_IMPLEMENTATION\n#include "%s_%s.h"\n' $(echo $copy | tr a-z A-Z) $copy "$name" >"$work/${copy}_$name.c"
        $CC $flags -c "$work/${copy}_$name.c" -o "$work/${copy}_$name.o" || return
        objects="$objects $work/${copy}_$name.o"
    done
    for copy in $copies; do cat "$work/${copy}_$name.c"; done >"$work/one_$name.c"
    $CC $flags -fsyntax-only "$work/one_$name.c" || return
    {
        printf '#include "%s"\n' $(for copy in $copies; do echo "${copy}_$name.h"; done)
        echo "int main(void) {"
        for copy in $copies; do echo "if (!${copy}_${name}_error_name(0)) return 1;"; done
        echo "return 0; }"
    } >"$work/main_$name.c"
    $CC $flags "$work/main_$name.c" $objects -o "$work/main_$name" -lpthread && "$work/main_$name"
}
for h in $headers; do try "$h in three copies" program "$h"; done
finish
