#!/bin/bash
# Each hello program is short, is built by the `cc` line of its first comment and prints the output shown there. Copied into a
# C++ project, it causes no warning.
. "$(dirname "$0")/lib.sh"
hello() { # FILE
    local line name lines
    name=$(basename "$1" .c)
    lines=$(wc -l <"$1")
    [ "$lines" -le 125 ] || echo "$lines lines"
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
in_cxx() { # FILE
    g++ -std=c++17 -O1 -Wall -Wextra -Werror -x c++ -c "$1" -o "$work/cxx.o"
}
for h in $headers; do
    file=examples/hello/hello_${h#dx_}
    file=${file%.h}.c
    if [ -f "$file" ]; then try "$file" hello "$file"; else verdict "$file" "missing"; fi
    has g++ && try "$file in C++" in_cxx "$file"
done
finish
