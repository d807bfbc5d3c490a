#!/bin/bash
# The errors of cores and layers: one form of list, common values, one spelling. A core has all common errors; a layer has those
# that it can return, with the values of its core.
. "$(dirname "$0")/lib.sh"
common="OK:0 EINVAL:-1 ENOMEM:-2 ENOSPACE:-3 ETOOBIG:-4 ECORRUPT:-5 EAGAIN:-6 ESYS:-7 ENOTSUP:-8 ENOTFOUND:-9
        ECANCELED:-10 ETRUNCATED:-11 EVERSION:-12"
names() { # FILE
    local x name all=
    x=$(upper "$1") name=$(basename "$1" .h)
    case $1 in layers/*) ;; *) all=yes ;; esac
    {
        printf '#define %s_IMPLEMENTATION\n#include "%s"\n#include <stdio.h>\n#include <string.h>\n' "$x" "$1"
        echo "static void is(const char *name, int value, int want) {"
        echo "    if (value != want) printf(\"%s is %d, not %d\\n\", name, value, want);"
        echo "    if (strcmp(${name}_error_name(value), name)) printf(\"%s is called %s\\n\", name, ${name}_error_name(value));"
        echo "}"
        echo "int main(void) {"
        for e in $common; do
            [ -z "$all" ] && ! listed "$1" | grep -qx "${e%:*} .*" || echo "    is(\"${x}_${e%:*}\", ${x}_${e%:*}, ${e#*:});"
        done
        listed "$1" | while read -r constant value; do echo "    is(\"${x}_$constant\", ${x}_$constant, $value);"; done
        for value in 12345 -12345; do echo "    if (strcmp(${name}_error_name($value), \"unknown error\")) puts(\"$value is called otherwise than unknown error\");"; done
        echo "    return 0;"
        echo "}"
    } >"$work/$name.c"
    # Its dependencies are only declared: compiled 33 times, they would take most of the time, and nothing here calls them.
    $CC $by_words -I"$top" "$work/$name.c" -o "$work/$name" -no-pie -Wl,--unresolved-symbols=ignore-all -lpthread && "$work/$name"
}
listed() { # FILE: CONSTANT VALUE of each row of its list
    sed -n "/^#define $(upper "$1")_ERRORS(X)/,/[^\\\\]\$/s/^ *X(\(-*[0-9]*\), *\([A-Z0-9]*\).*/\2 \1/p" "$1"
}
for h in $headers; do try "$h errors" names "$h"; done
for h in layers/dx_*.h; do
    [ -f "$h" ] || continue
    if [ -n "$(listed "$h")" ]; then
        try "$h errors" names "$h"
    else
        # Nothing can fail there, or its list would say how.
        verdict "$h has no errors" "$(grep -nE '^ *ERRORS ' "$h" | grep -q . || echo "its head does not say so"; grep -n "$(upper "$h")_E[A-Z]* *=" "$h")"
    fi
done
finish
