#!/bin/sh
# Files as a table in C, for page.c. usage: embed.sh FILE...
set -eu
echo '#include "programs/dxdb/page.h"'
number=0
for file; do
    printf 'static const unsigned char file_%d[] = {\n' $number
    od -An -v -tu1 "$file" | sed 's/ *\([0-9][0-9]*\)/\1,/g'
    echo '};'
    number=$((number + 1))
done
echo 'const dxdb_page dxdb_pages[] = {'
number=0
for file; do
    name=$(basename "$file")
    type='text/javascript; charset=utf-8'
    [ "$name" != index.html ] || type='text/html; charset=utf-8' name=
    printf '    {"/%s", "%s", file_%d, sizeof file_%d},\n' "$name" "$type" $number $number
    number=$((number + 1))
done
echo '    {0, 0, 0, 0}};'
