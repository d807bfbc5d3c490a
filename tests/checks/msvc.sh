#!/bin/bash
# Cores and layers compile as MSVC and clang-cl see them, for x64, ARM64 and x86: clang with their target and the declarations of
# the Windows headers. "as MSVC": the compiler's own macros are undefined after those headers, so that the compiled code is what
# cl.exe gets, with its _Interlocked functions. tests/ports/msvc runs that code here.
. "$(dirname "$0")/lib.sh"
layers=$(ls layers/dx_*.h 2>/dev/null)
include=/usr/x86_64-w64-mingw32/include
if ! has clang || [ ! -f $include/winsock2.h ]; then
    skip "MSVC" "needs clang and the headers of gcc-mingw-w64"
    finish
fi

# A file that includes the system's headers as GCC would, then HEADER as MSVC or clang-cl does.
as() { # msvc|clang-cl HEADER
    printf '#include <winsock2.h>\n#include <ws2tcpip.h>\n#include <mswsock.h>\n#include <windows.h>\n#include <winioctl.h>\n'
    printf '#include <errno.h>\n#include <assert.h>\n#include <string.h>\n#include <stdlib.h>\n#include <stdio.h>\n#include <intrin.h>\n'
    printf '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n'
    printf '#undef __GNUC__\n'
    # MSVC has neither of the two, and the code tests for each before it is used.
    [ "$1" != msvc ] || printf '#pragma clang diagnostic ignored "-Wbuiltin-macro-redefined"\n#undef __clang__\n#undef __has_builtin\n'
    printf '#define DX_IMPLEMENTATION\n#include "%s"\n' "$2"
}
for h in $headers $layers; do
    for which in msvc clang-cl; do
        file=$work/$which.$(basename "$h" .h).c
        as $which "$h" >"$file"
        for machine in x86_64 aarch64 i686; do
            x86= output=-fsyntax-only
            case $h in dx_reactor.h | layers/dx_ring.h) output="-c -O1 -o $file.$machine.o" ;; esac # down to the instructions
            [ $machine != i686 ] || x86=-D_X86_=1 # the headers ask for GCC's own name of it
            try "$h as $which for $machine" clang --target=$machine-pc-windows-msvc $x86 -std=c11 -Wall -Wextra -D_WIN32_WINNT=0x0A00 \
                -fms-compatibility-version=19.30 -fgnuc-version=4.2.1 -isystem $include \
                -I"$top" -DDX_CAS_LANES=1 $output "$file"
        done
    done
done
finish
