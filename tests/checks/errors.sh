#!/bin/bash
# The common errors have the same values in all headers, and error_name spells them.
. "$(dirname "$0")/lib.sh"
common="OK:0 EINVAL:-1 ENOMEM:-2 ENOSPACE:-3 ETOOBIG:-4 ECORRUPT:-5 EAGAIN:-6 ESYS:-7 ENOTSUP:-8 ENOTFOUND:-9
        ECANCELED:-10 ETRUNCATED:-11 EVERSION:-12"
names() { # HEADER
    local x name=${1%.h}
    x=$(upper "$1")
    {
        printf '#define DX_IMPLEMENTATION\n#include "%s"\n#include <stdio.h>\n#include <string.h>\n' "$1"
        echo "static void is(const char *name, int value, int want) {"
        echo "    if (value != want) printf(\"%s is %d, not %d\\n\", name, value, want);"
        echo "    if (strcmp(${name}_error_name(value), name)) printf(\"%s is called %s\\n\", name, ${name}_error_name(value));"
        echo "}"
        echo "int main(void) {"
        for e in $common; do echo "    is(\"${x}_${e%:*}\", ${x}_${e%:*}, ${e#*:});"; done
        echo "    return !${name}_error_name(12345) || !${name}_error_name(-12345);"
        echo "}"
    } >"$work/$name.c"
    $CC -I"$top" "$work/$name.c" -o "$work/$name" -lpthread && "$work/$name"
}
for h in $headers; do try "$h errors" names "$h"; done
finish
