#!/bin/bash
# A clean machine: bare Debian releases (debootstrap's minbase with make) in folders, each with a clone of this tree, where `make
# demo` and `make test` run with no preparation. Prints how each ended, its seconds, and how many megabytes it installed.
# usage: chroot.sh [--keep] [SUITE...]    bookworm trixie; needs root, debootstrap, an apt that knows a mirror of Debian
# DX_CHROOTS=folder: where they are made; an existing base is reused. GOALS: the make targets, 'demo test'.
# Not a part of `make test-all`: it takes an hour, and it runs `make test`.
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD keep= passed=0 failed=0
[ "${1:-}" != --keep ] || { keep=yes && shift; }
folder=${DX_CHROOTS:-$(mktemp -d)}
has() { command -v "$1" >/dev/null; }
skip() {
    echo "skip chroot: $1"
    echo "chroot: 0 passed, 0 failed, 1 skipped"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "it needs root"
for program in debootstrap apt-get git chroot; do has $program || skip "no $program"; done
# The mirror is this machine's own, as apt has it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | sort -u | head -n 1)
[ -n "$mirror" ] || skip "apt knows no mirror of Debian"
mounts=
drop_mounts() {
    for place in $mounts; do umount -l "$place" 2>/dev/null; done
    mounts=
}
finish() {
    drop_mounts
    [ -n "$keep" ] || [ -n "${DX_CHROOTS:-}" ] || rm -rf --one-file-system "$folder"
}
trap finish EXIT
# The size of installed files, without apt's lists and caches, which change; the tree's own build/ is in /tmp.
megabytes() { du -sxm --exclude="$1/tmp" --exclude="$1/var/cache/apt" --exclude="$1/var/lib/apt/lists" "$1" | cut -f 1; }

machine() { # SUITE
    local root=$folder/$1.run base=$folder/$1 began before after status goal registry
    [ -x "$base/usr/bin/make" ] ||
        debootstrap --variant=minbase --include=make "$1" "$base" "$mirror" >"$folder/$1.log" 2>&1 ||
        { echo "skip $1: $(tail -n 1 "$folder/$1.log")"; return; }
    rm -rf --one-file-system "$root"
    cp -a "$base" "$root" || return
    git clone -q --no-hardlinks "$top" "$root/tmp/dx" && rm -rf "$root/tmp/dx/.git" || return
    for place in proc sys dev; do
        mount --rbind "/$place" "$root/$place" 2>/dev/null && mounts="$root/$place $mounts"
    done
    cp /etc/resolv.conf "$root/etc/" 2>/dev/null
    cp /etc/hosts "$root/etc/" 2>/dev/null
    # The clean machine lacks what this one needs to reach its mirror: proxies, certificates.
    cp -r /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null
    registry=$(npm config get registry 2>/dev/null)
    before=$(megabytes "$root")
    for goal in ${GOALS:-demo test}; do
        began=$SECONDS
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb ${http_proxy:+http_proxy=$http_proxy} \
            ${registry:+npm_config_registry=$registry} \
            chroot "$root" sh -c "cd /tmp/dx && make $goal" >"$folder/$1.$goal.log" 2>&1 </dev/null
        status=$?
        after=$(megabytes "$root")
        grep -a '^After this operation' "$folder/$1.$goal.log" | sed "s/^/    $1, apt: /"
        echo "    $1, make $goal, $((SECONDS - began)) s, $((after - before)) MB more: $(tail -n 1 "$folder/$1.$goal.log")"
        if [ $status = 0 ] && { [ "$goal" != test ] || [ $((after - before)) -le 300 ]; }; then
            passed=$((passed + 1)) && echo "ok   $1: make $goal"
        else
            failed=$((failed + 1)) && echo "FAIL $1: make $goal: status $status, $((after - before)) MB; see $folder/$1.$goal.log"
        fi
    done
    drop_mounts
    [ -n "$keep" ] || rm -rf --one-file-system "$root"
}
for suite in ${*:-bookworm trixie}; do machine "$suite"; done
echo "chroot: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
