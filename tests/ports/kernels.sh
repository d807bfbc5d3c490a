#!/bin/bash
# The conformance suite on older kernels: those of three Debian releases, emulated (qemu without KVM), each with an initial
# file system of two programs. usage: kernels.sh [SUITE...]      bullseye (5.10), bookworm (6.1), trixie (6.12)
# Kernels are fetched with apt, which checks their signatures, into build/kernels, by a configuration of their own.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$PWD/build/kernels
mkdir -p "$folder/root"
passed=0 failed=0 skipped=0
good() { passed=$((passed + 1)); echo "ok   $*"; }
bad() { failed=$((failed + 1)); echo "FAIL $*"; }
skip() { skipped=$((skipped + 1)); echo "skip $*"; }
has() { command -v "$1" >/dev/null; }
finish() { echo "kernels: $passed passed, $failed failed, $skipped skipped"; [ $failed = 0 ]; exit; }

fetch() { # SUITE       leaves $folder/SUITE/vmlinuz; prints why it could not
    local d=$folder/$1 mirror package options
    [ ! -s "$d/vmlinuz" ] || return 0
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | sort -u | head -n 1)
    [ -n "$mirror" ] || { echo "apt knows no mirror of Debian"; return 1; }
    mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$d/sources.list"
    options="-o Dir::Etc::SourceList=$d/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$d/lists
             -o Dir::Cache=$d/cache -o Acquire::Languages=none -o APT::Sandbox::User=$(id -un)"
    timeout 300 apt-get $options -qq update || { echo "no list of $1"; return 1; }
    package=$(apt-cache $options depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    [ -n "$package" ] || { echo "$1 has no kernel for clouds"; return 1; }
    (cd "$d" && timeout 600 apt-get $options -qq download "$package" && dpkg-deb --fsys-tarfile "$package"_*.deb |
        tar x --wildcards './boot/vmlinuz*' && mv boot/vmlinuz* vmlinuz) || { echo "$package cannot be had"; return 1; }
    rm -rf "$d/lists" "$d/cache" "$d/boot" "$d"/*.deb
}
boot() { # SUITE        the console of the machine, from its start to its end
    timeout 600 qemu-system-x86_64 -accel tcg -cpu max,-cx16 -m 512 -smp 1 -nodefaults -no-reboot -display none -serial stdio \
        -kernel "$folder/$1/vmlinuz" -initrd "$folder/initrd.gz" -append "console=ttyS0 quiet panic=-1" </dev/null 2>&1 |
        tr -d '\r' >"$folder/$1.log"
}

[ "$(uname -m)" = x86_64 ] || { skip "kernels: they are those of x86-64"; finish; }
for program in qemu-system-x86_64 cpio apt-get dpkg-deb; do
    has $program || { skip "kernels: no $program"; finish; }
done
options="-std=gnu11 -O1 -static -Wall -Wextra -Wno-unused-function"
${CC:-cc} $options tests/ports/conform.c -o "$folder/root/conform" -lpthread &&
    ${CC:-cc} $options tests/ports/init.c -o "$folder/root/init" || { bad "the programs do not compile"; finish; }
(cd "$folder/root" && printf 'init\nconform\n' | cpio -o -H newc --quiet | gzip -1 >../initrd.gz)
for suite in ${*:-bullseye bookworm trixie}; do
    if ! reason=$(fetch "$suite" 2>&1); then
        skip "kernel of $suite: $(tail -n 1 <<<"$reason")"
        continue
    fi
    # QEMU 7.2 has spoilt registers of newer kernels in cmpxchg16b (hence -cx16); a machine that crashed is no result.
    for try in 1 2 3; do
        boot "$suite"
        grep -qE 'Kernel panic|PANIC: double fault' "$folder/$suite.log" || break
    done
    release=$(sed -n 's/^release //p' "$folder/$suite.log")
    for backend in io_uring epoll; do
        line=$(grep "^$backend: " "$folder/$suite.log")
        if grep -q "^ended $backend 0" "$folder/$suite.log"; then
            good "Linux $release: conformance of $line"
        else
            bad "Linux ${release:-of $suite}: $backend ${line:-did not end}"
            grep -A 2 -E '^(FAIL|skip)' "$folder/$suite.log" | head -n 20
        fi
    done
done
finish
