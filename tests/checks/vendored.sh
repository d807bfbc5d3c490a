#!/bin/bash
# A header copied alone into an empty folder is all that a program needs, as C and as C++.
. "$(dirname "$0")/lib.sh"
alone() { # HEADER COMPILER FLAGS...
    local folder name=${1%.h}
    folder=$(mktemp -d -p "$work")
    cp "$1" "$folder" && shift && cd "$folder" || return
    {
        echo "#define DX_IMPLEMENTATION"
        echo "#include \"$name.h\""
        echo "int main(void) { return ${name}_error_name(0) == 0; }"
    } >main.c
    case $1 in *++) cp main.c main.cpp; "$@" main.cpp -o main -lpthread ;; *) "$@" main.c -o main -lpthread ;; esac && ./main
}
for h in $headers; do
    try "$h alone, $CC" alone "$h" "$CC"
    for command in "gcc -std=c99" "clang -std=c99" "g++ -std=c++11" "clang++ -std=c++17"; do
        if has ${command%% *}; then
            try "$h alone, $command" alone "$h" $command
        else
            skip "$h alone, $command" "not installed"
        fi
    done
done
finish
