#!/bin/bash
# Each hello program is short, is built by the `cc` line of its first comment and prints what stands beside it.
. "$(dirname "$0")/lib.sh"
hello() { # FILE
    local line name lines
    name=$(basename "$1" .c)
    lines=$(wc -l <"$1")
    [ "$lines" -lt 120 ] || echo "$lines lines"
    line=$(sed '/\*\//q' "$1" | grep -oE '(^|[ *])cc -[^*&]*[^*& ]' | head -n 1 | sed 's/^[ *]//')
    case $line in
        "cc "*"-o "*) ;;
        *) echo "no cc line with -o in the first comment"; return ;;
    esac
    line=$(echo "$line" | sed "s|^cc |$CC |; s|-o *[^ ]*|-o $work/$name|")
    bash -c "$line" || return
    (cd "$work" && "./$name" >"$name.out" 2>&1) || echo "$name ended with status $?"
    diff "${1%.c}.expected" "$work/$name.out"
}
for h in $headers; do
    file=examples/hello/hello_${h#dx_}
    file=${file%.h}.c
    if [ -f "$file" ]; then try "$file" hello "$file"; else verdict "$file" "missing"; fi
done
finish
