#!/bin/bash
# No warning under the strict flags of gcc and clang and under clang's -Weverything, in any mode of a core; of the layers together
# at each optimisation level, with other C libraries and after <windows.h> (each alone: tests/checks/layers.sh).
#
# All of clang's warnings come from its front end, so it compiles nothing here. gcc finds unused functions and values that may be
# unset only where it generates code; only one C standard and one machine take the minutes of its optimiser.
. "$(dirname "$0")/lib.sh"
layers=$(ls layers/dx_*.h 2>/dev/null)

# -Wpadded is about layout, not about mistakes; the others are newer than C99 or ask for C++ habits.
everything="-Weverything -Wno-padded -Wno-declaration-after-statement"
for w in unsafe-buffer-usage switch-default pre-c11-compat; do
    accepts clang "-Wno-$w" && everything="$everything -Wno-$w"
done

compile() { # NAME COMMAND...
    local name=$1
    shift
    case $1 in clang) set -- "$@" -fsyntax-only ;; *) set -- "$@" -S -o /dev/null ;; esac
    ${try:-try} "$name" "$@" "$one"
}
compile_later() { local try=later; compile "$@"; }
modes() { # HEADER NAME COMMAND...
    local h=$1 name="$1 $2" x
    x=$(upper "$h")
    shift 2
    set -- "$@" $(including "$h")
    compile "$name declarations" "$@"
    compile_later "$name implementation -O0" "$@" -DDX_IMPLEMENTATION
    case "$name" in *c99*) ;; *) return ;; esac
    case "$name" in *gcc*) compile_later "$name implementation -O2" "$@" -O2 -D${x}_IMPLEMENTATION ;; esac
    compile_later "$name implementation -O0 NDEBUG" "$@" -DNDEBUG -DDX_IMPLEMENTATION
    # Some private copies are used, although they may stay unused.
    case "$name" in *every*) set -- "$@" -Wno-used-but-marked-unused ;; esac
    compile "$name static -O0" "$@" -D${x}_STATIC -DDX_IMPLEMENTATION
}

for compiler in gcc clang; do
    has $compiler || { skip $compiler "not installed"; continue; }
    for std in c99 c11 c2x; do
        [ "$tier $std" != "native c11" ] && [ "$tier $std" != "native c2x" ] || continue # quick where all contribute
        accepts $compiler -std=$std || { skip "$compiler $std" "this $compiler does not know it"; continue; }
        for h in $headers; do
            if [ $compiler = gcc ]; then
                modes "$h" "gcc $std strict" gcc -std=$std $strict
            else # all that clang has, including the strict flags
                modes "$h" "clang $std everything" clang -std=$std $everything
            fi
        done
    done
done

# Warnings only from the optimiser: values that may be unset, strings that may not fit. A library keeps all functions, so that
# link-time optimisation sees each.
for h in $headers; do
    has gcc || continue
    for level in -O3 -Os; do
        compile_later "$h gcc $level" gcc -std=c99 $strict $level $(including "$h") -DDX_IMPLEMENTATION
    done
    later "$h gcc LTO" gcc -std=c99 -Wall -Wextra -Werror -O3 -flto=auto -fPIC -shared $(including "$h") -DDX_IMPLEMENTATION \
        "$one" -o "$work/lto.${h%.h}.so" -lpthread
done

# The same for layers, with their dependencies: a core may be wrong only where a layer that calls it is inlined.
if [ -n "$layers" ] && has gcc; then
    together $layers >"$work/layers.c"
    for level in -O0 -O2 -O3 -Os; do
        later "layers gcc $level" gcc -std=c99 $strict $level $by_words -I"$top" -S "$work/layers.c" -o /dev/null
    done
fi

# Optional parts: whatever remains has no unused function.
while read -r h option; do
    case " $headers " in *" $h "*) ;; *) continue ;; esac
    for compiler in gcc clang; do
        has $compiler || continue
        flags="-std=c99 $strict"
        [ $compiler = gcc ] || flags="-std=c99 $everything"
        case $option in *_ZSTD) library=zstd.h ;; *_SODIUM) library=sodium.h ;; *) library=stddef.h ;; esac
        if echo "#include <$library>" | gcc -x c -fsyntax-only - 2>/dev/null; then
            compile "$h $compiler $option" $compiler $flags $(including "$h") $option -DDX_IMPLEMENTATION
        else
            skip "$h $compiler $option" "$library is not installed"
        fi
    done
done <<END
dx_cas.h -DDX_CAS_NO_FILE
dx_hbtp.h -DDX_HBTP_SMALL
dx_patch.h -DDX_PATCH_NO_CREATE
dx_patch.h -DDX_PATCH_NO_CREATE -DDX_PATCH_NO_STREAMS
dx_patch.h -DDX_PATCH_FLASH_SMALL
dx_patch.h -DDX_PATCH_NO_CREATE -DDX_PATCH_FLASH_SMALL
dx_teleport.h -DDX_TELEPORT_NO_NAMES
dx_teleport.h -DDX_TELEPORT_LITTLE_ENDIAN=0
END

# Other word sizes and an unsigned char cause other warnings.
for h in $headers; do
    if has_m32; then
        compile "$h gcc -m32 strict" gcc $m32 -std=c99 -O2 $strict $(including "$h") -DDX_IMPLEMENTATION
    else
        skip "$h gcc -m32" "gcc has no 32-bit C library here"
    fi
    if has s390x-linux-gnu-gcc; then
        compile "$h gcc s390x strict" s390x-linux-gnu-gcc -std=c99 $strict $(including "$h") -DDX_IMPLEMENTATION
    else
        skip "$h gcc s390x" "s390x-linux-gnu-gcc is not installed"
    fi
done

# An assertion macro that expands to nothing, so that whatever only it uses is unused.
for h in $headers $layers; do
    try=try
    case $h in layers/*) try=later ;; esac
    for compiler in gcc clang; do
        has $compiler || continue
        set --
        for name in $headers $h; do set -- "$@" "-D$(upper "$name")_ASSERT(c)=((void)0)"; done
        $try "$h $compiler empty assertions" $compiler -std=c99 -Wall -Wextra "$@" $(including "$h") -DDX_IMPLEMENTATION -fsyntax-only "$one"
    done
done

# Another C library on Linux: other types and macros with the same names.
for h in $headers ${layers:+layers}; do
    if ! has musl-gcc; then
        skip "$h musl" "musl-gcc is not installed"
    elif [ "$h" = layers ]; then
        try "layers musl" musl-gcc -std=c99 $strict $by_words -I"$top" -S "$work/layers.c" -o /dev/null
    else
        compile "$h musl" musl-gcc -std=c99 $strict $by_words $(including "$h") -DDX_IMPLEMENTATION
    fi
done

# After <windows.h>, which defines a few thousand macros. A POSIX-only file stops at its first header.
for h in $headers ${layers:+layers}; do
    if has x86_64-w64-mingw32-gcc; then
        behind_windows $([ "$h" = layers ] && echo $layers || echo "$h") >"$work/windows.${h%.h}.c"
        try "$h behind <windows.h>" x86_64-w64-mingw32-gcc -std=c99 $strict $by_words -I"$top" \
            -S "$work/windows.${h%.h}.c" -o /dev/null
    else
        skip "$h behind <windows.h>" "x86_64-w64-mingw32-gcc is not installed"
    fi
done

# Names that compilers define in their GNU modes (unix, i386, mips and their like) and that system
# headers define as macros (windows.h above all): no header may use one of its own.
taken="i386 i486 i586 i686 linux unix mips sparc sun vax hpux m68k mc68000 sgi pdp11 R3000 PPC pyr near far
    small hyper interface random environ DELETE IN OUT OPTIONAL ERROR ABSOLUTE RELATIVE"
others_names() { # HEADER: the system's own headers first, including those of the cores below it; then the names, then HEADER
    grep -oh '^ *# *include <[^>]*>' "$1" $headers | sort -u | sed 's/.*\(<.*>\)/#if __has_include(\1)\n#include \1\n#endif/'
    for name in $taken; do printf '#undef %s\n#define %s 1\n' "$name" "$name"; done
    printf '#define DX_IMPLEMENTATION\n#include "%s"\n' "$1"
}
for h in $headers $layers; do
    file=$work/names.$(basename "$h" .h).c
    others_names "$h" >"$file"
    try "$h, names that others define" gcc -std=gnu17 -D_GNU_SOURCE -I"$top" -fsyntax-only "$file"
done

# A bool of more than one byte, from a <stdbool.h> older than C99's: the compiler's message explains it.
bool_is_int() { # COMPILER...
    local out
    mkdir -p "$work/old" && printf '#define bool int\n#define true 1\n#define false 0\n' >"$work/old/stdbool.h"
    ! out=$("$@" -I"$work/old" $(including dx_teleport.h) -fsyntax-only "$one" 2>&1) || echo "compiles"
    echo "$out" | grep -qE 'bool.(of|is).1.byte' || echo "$out"
}
case " $headers " in
    *" dx_teleport.h "*)
        for std in c99 c11; do try "dx_teleport.h, bool is an int, $std" bool_is_int gcc -std=$std; done
        ;;
esac
finish
