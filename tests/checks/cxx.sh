#!/bin/bash
# Declarations and implementation compile as C++11 to C++20 without a warning; the layers together, where gcc
# optimises, too, and after <windows.h> (each alone: tests/checks/layers.sh). All of clang's warnings come from its front end.
. "$(dirname "$0")/lib.sh"
layers=$(ls layers/dx_*.h 2>/dev/null)
for compiler in g++ clang++; do
    output="-S -o /dev/null"
    [ $compiler = g++ ] || output=-fsyntax-only
    has $compiler || { skip $compiler "not installed"; continue; }
    for std in c++11 c++14 c++17 c++20; do
        accepts $compiler -std=$std c++ || { skip "$compiler $std" "this $compiler does not know it"; continue; }
        case $std in c++11 | c++20) try=try ;; *) try=later ;; esac
        for h in $headers; do
            for mode in "declarations " "implementation -DDX_IMPLEMENTATION" "static -DDX_IMPLEMENTATION -D$(upper "$h")_STATIC"; do
                case $std,$mode in c++1[47],[ds]*) continue ;; esac # no other than between the oldest and the newest
                $try "$h $compiler $std ${mode%% *}" $compiler -std=$std -Wall -Wextra ${mode#* } \
                    $(including "$h") -x c++ "$one" $output
            done
        done
        case " $headers " in *" dx_patch.h "*)
            $try "dx_patch.h $compiler $std without its maker" $compiler -std=$std -Wall -Wextra -DDX_IMPLEMENTATION -DDX_PATCH_NO_CREATE \
                $(including dx_patch.h) -x c++ "$one" $output ;;
        esac
    done
    for h in $headers; do
        try "$h $compiler strict" $compiler -std=c++17 $strict_cxx -DDX_IMPLEMENTATION $(including "$h") -x c++ "$one" $output
    done
done
if [ -n "$layers" ] && has g++; then
    together $layers >"$work/layers.cc"
    for level in -O0 -O2; do
        later "layers g++ $level" g++ -std=c++17 $strict_cxx $level $by_words -I"$top" -S "$work/layers.cc" -o /dev/null
    done
fi
for h in $headers ${layers:+layers}; do
    if has x86_64-w64-mingw32-g++; then # <windows.h> declares types (byte, LONG) that a local name hides
        behind_windows $([ "$h" = layers ] && echo $layers || echo "$h") >"$work/windows.${h%.h}.cc"
        try "$h behind <windows.h>" x86_64-w64-mingw32-g++ -std=c++17 $strict_cxx -Wno-shadow $by_words -I"$top" \
            -S "$work/windows.${h%.h}.cc" -o /dev/null
    else
        skip "$h behind <windows.h>" "x86_64-w64-mingw32-g++ is not installed"
    fi
done
finish
