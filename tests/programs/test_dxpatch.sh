#!/bin/bash
# dxpatch end to end: real processes, real files.
# usage: test_dxpatch.sh [FILTER...]     runs the cases whose name contains one of the filters
#        DXPATCH=path                    tests that program instead of build/dxpatch
set -u
cd "$(dirname "$0")/../.."
top=$PWD
dxpatch=$top/${DXPATCH:-build/dxpatch}
work=$(mktemp -d)
passed=0 failed=0 skipped=0
trap 'umount "$work"/mnt* 2>/dev/null; rm -rf "$work"' EXIT

# >>kit
fail() {
    echo "     ${BASH_LINENO[0]}: $*"
    bad=1
}
expect() { # STATUS ARGS...      dxpatch ends with that status; its output is in $out
    local want=$1 got
    shift
    out=$("$dxpatch" "$@" 2>&1 </dev/null)
    got=$?
    [ $got = "$want" ] || {
        echo "     ${BASH_LINENO[0]}: status $got instead of $want: dxpatch $*"
        echo "$out" | head -5 | sed 's/^/       /'
        bad=1
    }
    [ "$want" = 0 ] || [ -n "$out" ] || { echo "     ${BASH_LINENO[0]}: no message: dxpatch $*"; bad=1; }
}
says() { case "$out" in *"$1"*) ;; *) echo "     ${BASH_LINENO[0]}: no '$1' in: $out"; bad=1 ;; esac; }
same() { cmp -s "$1" "$2" || { echo "     ${BASH_LINENO[0]}: $1 and $2 differ"; bad=1; }; }
alone() { # FILE...      this folder has no other files
    local there
    there=$(ls -A)
    [ "$there" = "$(printf '%s\n' "$@" | sort)" ] || { echo "     ${BASH_LINENO[0]}: here are:" $there; bad=1; }
}
get() { echo "$out" | sed -n "s/^$1=//p"; } # a field of info
. tests/seeded.sh
skip() {
    echo "skip $name: $*"
    bad=skip
}
filters=("$@")
wanted() { # CASE      -CASE: not that one. DX_CASES: the whole names of those that run.sh repeats
    local f only=
    case " ${DX_CASES:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
    for f in "${filters[@]}"; do
        case $f in -*) case $1 in *"${f#-}"*) return 1 ;; esac ;; *) only=yes ;; esac
    done
    [ -n "$only" ] || return 0
    for f in "${filters[@]}"; do
        case $f in -*) ;; *) case $1 in *"$f"*) return 0 ;; esac ;; esac
    done
    return 1
}
run() {
    name=$1
    wanted "$name" || return
    bad=0
    mkdir "$work/$name"
    cd "$work/$name" || exit 1
    seeded "$name"
    "$name"
    cd "$top" || exit 1
    umount "$work"/mnt* 2>/dev/null
    rm -rf "${work:?}/$name"
    case $bad in
        0) echo "ok   $name"; passed=$((passed + 1)) ;;
        skip) skipped=$((skipped + 1)) ;;
        *) echo "FAIL $name"; failed=$((failed + 1)) ;;
    esac
}
make_versions() { # old, new: something inserted, something removed, something changed
    bytes 60000 >old
    { head -c 20000 old; echo "inserted here"; tail -c +20001 old | head -c 30000; bytes 300; tail -c 9000 old; } >new
}
make_images() { # old, new of one size, changed in three places
    bytes 60000 >old
    { head -c 1000 old; bytes 50; tail -c +1051 old | head -c 30000; bytes 10; tail -c +31061 old | head -c 28929; printf Z; tail -c 10 old; } >new
    head -c 60000 new >cut && mv cut new
}

# >>what works
a_delta() {
    make_versions
    expect 0 diff old new patch
    says " bytes, "
    [ "$(stat -c %s patch)" -lt 1500 ] || fail "the patch has $(stat -c %s patch) bytes"
    expect 0 apply old patch out
    same new out
    expect 0 diff old new patch2 --quiet
    [ -z "$out" ] || fail "not quiet: $out"
    same patch patch2
    alone new old out patch patch2
}
a_coding_that_fails() { # streams 16, range 2, plain 1: falls back to the next one, with a note
    local good=$dxpatch failing=$top/build/dxpatch_failing want
    make -s -C "$top" build/dxpatch_failing || fail "not built"
    make_versions
    for want in "0 4" "16 1" "18 0"; do
        set -- $want
        dxpatch=$failing
        export DX_FAILING=$1
        expect 0 diff old new patch
        [ "$1" = 0 ] || says "the patch in coding 'streams' does not reproduce the new file"
        [ "$1" != 18 ] || says "the patch in coding 'range' does not reproduce the new file"
        unset DX_FAILING
        dxpatch=$good
        [ "$(od -An -tu1 -j7 -N1 patch | tr -d ' ')" = "$2" ] || fail "$1: another coding"
        expect 0 apply old patch out
        same new out
    done
    dxpatch=$failing
    export DX_FAILING=19
    rm patch
    expect 4 diff old new patch
    unset DX_FAILING
    dxpatch=$good
    alone new old out
}
blocks_and_undo() {
    make_images
    for options in "" "--block-size 64" "--block-size 65536"; do
        expect 0 diff old new patch --kind blocks $options
        expect 0 apply old patch out
        same new out
        cp old file
        expect 0 apply-in-place file patch
        same new file
        expect 0 undo file patch
        same old file
    done
    alone file new old out patch
}
sizes_that_change() {
    make_versions
    : >empty
    head -c 30000 old >short
    for pair in "old short" "short old" "old empty" "empty old" "empty empty" "old old"; do
        set -- $pair
        for kind in delta blocks; do
            expect 0 diff "$1" "$2" patch --kind $kind
            expect 0 apply "$1" patch out
            same "$2" out
            cp "$1" file
            [ "$pair" = "empty empty" ] || [ "$1" = "$2" ] && continue
            expect 0 apply-in-place file patch
            same "$2" file
            [ $kind = delta ] && continue
            expect 0 undo file patch
            same "$1" file
        done
    done
}
one_way() {
    make_versions
    head -c 30000 old >short
    expect 0 diff old short both --kind blocks
    expect 0 diff old short one --kind blocks --one-way
    [ "$(stat -c %s one)" -lt 300 ] && [ "$(stat -c %s both)" -gt 30000 ] || fail "sizes: $(stat -c %s one both)"
    cp old file
    expect 0 apply-in-place file one
    same short file
    expect 6 undo file one
    says "one-way"
    same short file
    expect 0 undo file both
    same old file
}
a_delta_in_place() {
    make_versions
    expect 0 diff old new patch
    cp old file
    expect 0 apply-in-place file patch
    same new file
    expect 6 undo file patch
    says "only patches of kind blocks"
    same new file
    expect 0 apply old patch old # OLD may be NEW
    same new old
}
levels_from_fast_to_small() {
    for i in $(seq 3000); do echo "line $i of a text that is new as a whole, $((i * i)) and $((i * 7919 % 3001))"; done >new
    bytes 100 >old
    for level in 1 2 6 9; do
        expect 0 diff old new patch$level -$level
        expect 0 apply old patch$level out
        same new out
    done
    [ "$(stat -c %s patch9)" -le "$(stat -c %s patch1)" ] || fail "-9 is larger than -1"
    expect 0 diff old new patch
    same patch patch6
    expect 1 diff old new patch -0
    expect 0 diff old new patch --no-zstd # none in these
    same patch patch6
}
formats_of_deltas() { # streams, unless readers do not know them; levels above 6 are never larger
    make_versions
    expect 0 diff old new patch
    expect 0 info patch
    [ "$(get version) $(get coding)" = "4 streams" ] || fail "$out"
    expect 0 diff old new patch --format 3
    expect 0 info patch
    [ "$(get version) $(get coding)" = "3 range" ] || fail "$out"
    expect 0 apply old patch out
    same new out
    for level in 6 7 8 9; do
        expect 0 diff old new patch -$level
        [ $level = 6 ] && most=$(stat -c %s patch)
        [ "$(stat -c %s patch)" -le "$most" ] || fail "-$level makes $(stat -c %s patch) bytes, -6 $most"
        expect 0 apply old patch out
        same new out
    done
    expect 1 diff old new patch --format 5
    expect 1 diff old new patch --format 3 --kind blocks
    says "--kind delta"
}
info_shows_every_field() {
    make_images
    expect 0 diff old new patch --kind blocks --block-size 512
    expect 0 info patch
    [ "$(get kind) $(get coding) $(get reversible) $(get block_size)" = "blocks brief yes 512" ] || fail "$out"
    [ "$(get version) $(get hash) $(get base_size) $(get target_size)" = "1 blake3-256 60000 60000" ] || fail "$out"
    [ "$((128 + $(get body_size) + $(get trailer_size)))" = "$(stat -c %s patch)" ] || fail "$out"
    [ "$(get body_crc)" = "$(od -An -tx4 -j 112 -N 4 patch | tr -d ' ')" ] || fail "$out"
    [ "$(get base_hash)" = "$(od -An -v -tx1 -j 48 -N 32 patch | tr -d ' \n')" ] || fail "$out"
    [ "$(get target_hash)" = "$(od -An -v -tx1 -j 80 -N 32 patch | tr -d ' \n')" ] || fail "$out"
    [ "$(get memory_size)" -gt 0 ] || fail "$out"
    expect 0 diff old new patch
    expect 0 info patch
    [ "$(get kind) $(get reversible) $(get block_size)" = "delta no 0" ] || fail "$out"
}
modes_and_links_stay() {
    make_versions
    mkdir real
    cp old real/file
    chmod 750 real/file
    ln -s real/file link
    expect 0 diff old new patch
    expect 0 apply-in-place link patch
    [ -L link ] || fail "the link was replaced"
    same new real/file
    [ "$(stat -c %a real/file)" = 750 ] || fail "mode $(stat -c %a real/file)"
    (umask 027 && "$dxpatch" diff old new masked >/dev/null)
    [ "$(stat -c %a masked)" = 640 ] || fail "mode $(stat -c %a masked)"
}
a_dangling_link_is_not_replaced() {
    make_versions
    expect 0 diff old new patch
    mkdir real
    ln -s real/later out
    ln -s loop loop
    for link in out loop; do
        expect 6 apply old patch $link
        says "symbolic link"
        expect 6 diff old new $link
        says "symbolic link"
        [ -L $link ] || fail "$link was replaced"
    done
    [ -z "$(ls -A real)" ] || fail "in real: $(ls -A real)"
    alone loop new old out patch real
    : >real/later
    expect 0 apply old patch out
    [ -L out ] || fail "the link was replaced"
    same new real/later
}
names_that_look_like_options() {
    make_versions
    cp -- old --old
    expect 0 diff -- --old new --patch
    expect 0 apply --quiet -- --old --patch --out
    same new ./--out
}
bounded_memory() { # 64 MiB through the applier; address space limited to 48 MiB
    bytes 67108864 >old
    { head -c 5000000 old; bytes 100; tail -c +5000101 old; } >new
    expect 0 diff old new patch --kind blocks
    (ulimit -v 49152 && "$dxpatch" apply old patch out --quiet) || fail "status $?"
    same new out
    expect 0 diff old new patch
    (ulimit -v 49152 && "$dxpatch" apply old patch out --quiet) || fail "status $?"
    same new out
}

bounded_memory_of_containers() { # contents that do not fit are not unpacked: a patch of the packed bytes remains
    { head -c 30000000 /dev/zero; echo 1; head -c 30000000 /dev/zero; } | gzip -n6 >old
    { head -c 30000000 /dev/zero; echo 2; head -c 30000000 /dev/zero; } | gzip -n6 >new
    for limit in 120 280 440; do
        (ulimit -v $((limit * 1024)) && "$dxpatch" diff old new patch --quiet -1) || fail "status $? in $limit MiB"
        expect 0 apply old patch out
        same new out
    done
}

large_files_are_mapped_and_made_in_little_memory() {
    bytes 40000000 >half
    cat half half >old
    { head -c 55000000 old; bytes 5000; tail -c +55000001 old; } >new
    expect 0 diff old new patch --memory 8
    [ "$(stat -c %s patch)" -lt 6000 ] || fail "$(stat -c %s patch) bytes"
    expect 0 apply old patch out
    same new out
    expect 0 diff old new patch --kind vcdiff
    expect 0 apply-in-place old patch
    same new old
    expect 0 diff half new patch --memory 1
    [ "$(stat -c %s patch)" -lt 10000 ] || fail "$(stat -c %s patch) bytes"
    alone half new old patch out
}

a_patch_of_two() {
    make_versions
    { head -c 10000 new; echo "a third version"; tail -c +10001 new; } >third
    expect 0 diff old new first
    expect 0 diff new third second --kind vcdiff
    expect 0 compose old first second both
    expect 0 apply old both out
    same third out
    expect 0 diff old third direct
    same direct both
    expect 0 compose old first second both --kind blocks
    expect 6 undo old both
    expect 6 apply-in-place new both
    cp old file
    expect 0 apply-in-place file both
    same third file
    expect 6 compose new first second both
    expect 4 compose old second second both
    expect 6 compose old first first both
    says "the result of first"
    expect 6 compose old first second first
    head -c 20 second >cut
    expect 4 compose old first cut both
    expect 1 compose old first second
}
flash_patches() {
    make_versions
    : >empty
    for pair in "old new" "new old" "old empty" "empty new" "old old" "empty empty"; do
        set -- $pair
        for options in "" "--block-size 256" "--block-size 65536" "--slot-size 131072" "--small"; do
            expect 0 diff "$1" "$2" patch --kind flash $options
            expect 0 apply "$1" patch out
            same "$2" out
        done
    done
    expect 1 diff old new patch --small
    expect 0 diff old new patch --kind flash --small
    expect 0 info patch
    [ "$(get kind) $(get coding) $(get memory_size)" = "flash bits 704" ] || fail "$out"
    expect 0 diff old new patch --kind flash --block-size 1024
    expect 0 info patch
    [ "$(get kind) $(get coding) $(get reversible) $(get block_size)" = "flash range no 1024" ] || fail "$out"
    cp old file
    expect 0 apply-in-place file patch
    same new file
    expect 6 apply-in-place file patch
    same new file
    expect 6 apply patch patch out
    head -c 60000 new >other
    expect 6 apply other patch out
    expect 6 undo file patch
    expect 1 diff old new patch --kind flash --slot-size 60000
    expect 1 diff old new patch --kind flash --block-size 64
    expect 1 diff old new patch --slot-size 600000
    size=$(stat -c %s patch)
    for at in 130 $((size / 2)) $((size - 1)); do
        head -c "$at" patch >cut
        expect 4 apply old cut out
    done
}
vcdiff_here() {
    make_versions
    : >empty
    for pair in "old new" "new old" "old empty" "empty old" "empty empty" "old old"; do
        set -- $pair
        expect 0 diff "$1" "$2" patch --kind vcdiff
        expect 0 apply "$1" patch out
        same "$2" out
    done
    expect 0 diff old new patch --kind vcdiff
    expect 0 info patch
    [ "$(get kind) $(get target_size) $(get checksums)" = "vcdiff $(stat -c %s new) adler32" ] || fail "$out"
    cp old file
    expect 0 apply-in-place file patch
    same new file
    expect 4 apply-in-place file patch
    says "another file"
    same new file
    expect 6 undo file patch
    expect 6 apply old patch patch
    for at in 4 5 6 20 $(($(stat -c %s patch) - 1)); do
        head -c "$at" patch >cut
        [ "$at" = 5 ] || expect 4 apply old cut cut.out
    done
}
records() {
    make_versions
    : >empty
    cp "$top/dx_patch.h" a
    { tail -c +4097 a | sed 's/uint32_t/uint16_t/'; head -c 4096 a; } >b
    local options all=("" --no-zstd -9)
    [ "${DX_TIER:-}" != native ] || all=("") # the others where the program has sanitizers
    for pair in "old new" "new old" "old empty" "empty old" "empty empty" "old old" "a b" "b old" "empty a"; do
        set -- $pair
        for options in "${all[@]}"; do
            expect 0 diff "$1" "$2" patch --kind hde $options
            expect 0 apply "$1" patch out
            same "$2" out
            command -v python3 >/dev/null && command -v zstd >/dev/null || continue
            said=$(python3 "$top/tests/readers/hde.py" apply "$1" patch "$2" 2>&1) || fail "the other reader: $pair $options: ${said##*$'\n'}"
        done
    done
    expect 0 diff old new patch --kind hde --no-zstd
    [ "$(stat -c %s patch)" -lt 700 ] || fail "the record has $(stat -c %s patch) bytes"
    expect 0 info patch
    [ "$(get kind) $(get record) $(get coding) $(get target_size)" = "hde delta range $(stat -c %s new)" ] || fail "$out"
    ! command -v b3sum >/dev/null || [ "$(get base_hash)" = "$(b3sum old | cut -d ' ' -f 1)" ] || fail "$out"
    cp old file
    expect 0 apply-in-place file patch
    same new file
    expect 6 apply-in-place file patch
    says "already applied"
    expect 6 apply a patch out2
    says "not the file"
    expect 6 undo file patch
    expect 6 apply old patch patch
    same new file
    for at in 4 5 6 20 80 $(($(stat -c %s patch) - 1)); do
        head -c "$at" patch >cut
        expect 4 apply old cut cut.out
        cp patch flipped
        flip flipped $((at - 1))
        expect 4 apply old flipped cut.out
        [ ! -e cut.out ] || fail "something was written"
    done
    { cat patch; printf x; } >longer
    expect 4 apply old longer cut.out
    expect 0 diff new a second --kind hde
    expect 0 compose old patch second third --kind hde
    expect 0 apply old third out
    same a out
}
make_containers() { # old.KIND, new.KIND of a zip, a gzip, a png, a tar.xz, and strange zips; the contents differ a little
    python3 - "$(bytes 4 | od -An -tu4)" <<'END'
import gzip, io, lzma, random, struct, subprocess, sys, tarfile, zipfile, zlib
random.seed(int(sys.argv[1]))
def text(lines): return b"".join(b"line %d of %d words\n" % (i, random.randrange(9999)) for i in range(lines))
old = {"f%d.txt" % i: text(random.randrange(2, 400)) for i in range(30)}
new = {name: data.replace(b"7 w", b"77 w", 2) if i % 3 else data for i, (name, data) in enumerate(old.items())}
class Pipe(io.RawIOBase): # cannot seek: zipfile writes data descriptors
    def __init__(self, path): self.file = open(path, "wb")
    def writable(self): return True
    def write(self, data): return self.file.write(data)
def archive(out, files, level, force=False):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == "f4.txt" else zipfile.ZIP_DEFLATED
            z._compresslevel = info._compresslevel = level
            with z.open(info, "w", force_zip64=force) as member: member.write(data)
        z.writestr("empty", b"")
def damaged(data): # a directory whose entries all point to the first member, half of the members said to be encrypted
    data = bytearray(data)
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 42:at + 46] = bytes(4)
        at = data.find(b"PK\1\2", at + 1)
    at = data.find(b"PK\3\4")
    while at >= 0:
        data[at + 6] ^= random.randrange(2)
        at = data.find(b"PK\3\4", at + 1)
    return bytes(data)
for side, files in ("old", old), ("new", new):
    whole = b"".join(files.values())
    for level in 1, 6, 9: archive("%s.zip%d" % (side, level), files, level)
    archive("%s.zip64" % side, files, 6, True)
    archive(Pipe(side + ".pipe"), files, 6)
    data = open(side + ".zip6", "rb").read()
    open(side + ".cut", "wb").write(data[:len(data) * 2 // 3])
    open(side + ".behind", "wb").write(b"#!/bin/sh\n" + data + bytes(random.randrange(256) for _ in range(300)))
    open(side + ".lies", "wb").write(damaged(data))
    open(side + ".gz", "wb").write(gzip.compress(whole, 9, mtime=0))
    open(side + ".gnu", "wb").write(subprocess.run(["gzip", "-n6"], input=whole[:20000], check=True, stdout=-1).stdout)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name + ".gz")
            data = gzip.compress(data, 9, mtime=0)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    open(side + ".tar.xz", "wb").write(lzma.compress(tar.getvalue(), preset=6))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as t: t.addfile(t.gettarinfo(side + ".zip6"), open(side + ".zip6", "rb"))
    open(side + ".tgz", "wb").write(gzip.compress(tar.getvalue(), 9, mtime=0)) # a zip in a tar in a gzip
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packed = zlib.compress(whole, 9)
    parts = [packed[i:i + 8192] for i in range(0, len(packed), 8192)]
    open(side + ".png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + b"".join(chunk(b"IDAT", p) for p in parts) + chunk(b"IEND", b""))
END
}
containers() {
    command -v python3 >/dev/null || { skip "no python3 here"; return; }
    make_containers
    expect 0 diff old.zip6 new.zip6 patch
    expect 0 info patch
    [ "$(get kind)" = container ] || { skip "built without zlib"; return; }
    local kinds="zip1 zip6 zip9 zip64 pipe cut behind lies gz gnu tgz png tar.xz"
    [ "${DX_TIER:-}" != native ] || kinds="zip6 lies gnu png tar.xz" # the others if the program has sanitizers
    for kind in $kinds; do
        expect 0 diff old.$kind new.$kind plain --kind delta
        expect 0 diff old.$kind new.$kind patch
        expect 0 apply old.$kind patch out
        same new.$kind out
        [ $kind = tar.xz ] && [ "$(head -c 4 patch)" != DXC1 ] && continue # built without liblzma
        [ $kind = lies ] || [ $(($(stat -c %s patch) * 100)) -lt $(($(stat -c %s plain) * 35)) ] || fail "$kind: $(stat -c %s patch) bytes, without unpacking $(stat -c %s plain)"
        said=$(python3 "$top/tests/readers/container.py" apply "$dxpatch" old.$kind patch new.$kind 2>&1) || fail "the other reader: $kind: ${said##*$'\n'}"
    done
    expect 0 diff old.zip6 new.zip6 patch
    expect 0 info patch
    [ "$(get base_size) $(get target_size)" = "$(stat -c %s old.zip6) $(stat -c %s new.zip6)" ] || fail "$out"
    cp old.zip6 file
    expect 0 apply-in-place file patch
    same new.zip6 file
    expect 6 apply-in-place file patch
    says "already applied"
    expect 6 apply old.zip9 patch out2
    says "not the file"
    expect 6 undo file patch
    expect 6 apply old.zip6 patch patch
    [ ! -e out2 ] || fail "something was written"
}
containers_that_are_damaged() {
    command -v python3 >/dev/null || { skip "no python3 here"; return; }
    make_containers
    expect 0 diff old.zip6 new.zip6 patch
    [ "$(head -c 4 patch)" = DXC1 ] || { skip "built without zlib"; return; }
    size=$(stat -c %s patch)
    cp old.zip6 file
    for at in 4 5 20 111 112 140 170 $((size / 2)) $((size - 1)) $(shuf --random-source=<(bytes 4096) -i 4-$((size - 1)) -n 40); do
        head -c "$at" patch >cut
        expect 4 apply-in-place file cut
        cp patch flipped
        flip flipped "$at"
        refuse_damage apply-in-place file flipped
    done
    same old.zip6 file
    # Another library: the text in the header says which one it was made with, and the recipe another level.
    python3 "$top/tests/readers/container.py" foreign patch other || fail "no other patch"
    expect 5 apply old.zip6 other out
    says "zlib 0.0.0"
    head -c 400000 /dev/zero | gzip -n9 >bomb
    head -c 400001 /dev/zero | gzip -n9 >bomb2
    expect 0 diff bomb bomb2 patch
    expect 0 apply bomb patch out
    same bomb2 out
    [ "$(head -c 4 patch)" != DXC1 ] || { printf '\377' | dd of=patch bs=1 seek=28 conv=notrunc status=none; expect 4 apply bomb patch out; }
}
containers_around_other_patches() { # the inner patch is a delta for the form of OLD, or the patch is damaged
    command -v python3 >/dev/null || { skip "no python3 here"; return; }
    make_containers
    expect 0 diff old.gz new.gz patch
    [ "$(head -c 4 patch)" = DXC1 ] || { skip "built without zlib"; return; }
    python3 "$top/tests/readers/container.py" form old.gz patch form || fail "no form"
    for kind in flash blocks hde vcdiff; do
        expect 0 diff form new.gz inner --kind $kind
        python3 "$top/tests/readers/container.py" around patch inner other || fail "no patch around $kind"
        expect 4 apply old.gz other out
    done
    expect 0 diff new.gz form inner --kind delta # for a prepared base, although OLD is not
    python3 "$top/tests/readers/container.py" around patch inner other || fail "no patch around a delta"
    expect 4 apply old.gz other out
    says "damaged"
    python3 "$top/tests/readers/container.py" around patch patch other || fail "no patch around a patch"
    expect 4 apply old.gz other out
    [ ! -e out ] || fail "something was written"
    expect 0 diff old.tar.xz new.tar.xz patch
    [ "$(head -c 4 patch)" = DXC1 ] || return # built without liblzma
    expect 5 apply old.tar.xz patch out --memory-max 1
    says "needs more memory"
    [ ! -e out ] || fail "something was written"
}
vcdiff_with_xdelta3() {
    command -v xdelta3 >/dev/null || { skip "no xdelta3 here"; return; }
    bytes 3000000 >old
    { head -c 1000000 old; bytes 500; head -c 5000 /dev/zero; tail -c +900000 old; tail -c 10000 old | head -c 77; } >new
    make_versions
    for pair in "old new" "new old" "$dxpatch $top/dx_patch.h" "$top/dx_patch.h $top/dx_cas.h"; do
        set -- $pair
        for options in "-S none" "-S none -9" "-S none -0 -n -A" "-S none -W 16384"; do
            xdelta3 $options -e -f -s "$1" "$2" patch || fail "xdelta3 $options"
            expect 0 apply "$1" patch out
            same "$2" out
        done
        expect 0 diff "$1" "$2" patch --kind vcdiff
        xdelta3 -d -f -s "$1" patch out || fail "xdelta3 does not decode ours"
        same "$2" out
    done
    xdelta3 -S djw -e -f -s old new patch
    expect 5 apply old patch out
    says "secondary compression"
}

# >>refusals
bad_command_lines() {
    make_versions
    expect 1
    says "Exit status"
    expect 1 frobnicate
    says "no command 'frobnicate'"
    expect 1 diff old new
    expect 1 diff old new patch more
    expect 1 diff old new patch --kind hot
    says "vcdiff"
    expect 2 diff old new nowhere/patch
    says "its parent directory does not exist"
    expect 1 diff old new patch --kind
    expect 1 diff old new patch --unknown
    for n in 0 63 100 131072 -64 64x ""; do expect 1 diff old new patch --kind blocks --block-size "$n"; done
    expect 1 diff old new patch --block-size 64
    expect 1 diff old new patch --one-way
    for n in 0 -1 1G 99999999999999999999 ""; do expect 1 diff old new patch --memory "$n"; done
    expect 1 apply old patch out --memory 100
    expect 1 apply old patch out --kind delta
    expect 1 undo old
    expect 1 info
    expect 1 diff old new patch --kind flash --slot-size 4096
    says "OLD and one more page"
    expect 0 help
    says "Exit status"
    for n in --help -h; do
        expect 0 $n
        says "Exit status"
        expect 0 apply $n
        says "usage: dxpatch apply"
    done
    alone new old
    expect 0 diff --kind=blocks --block-size=64 old new patch --quiet
    expect 0 info patch
    [ "$(get block_size)" = 64 ] || fail "$out"
    expect 1 diff old new patch --quiet=1
    says "takes no value"
}
missing_and_strange_files() {
    make_versions
    mkdir dir
    mkfifo pipe
    expect 2 diff nothing new patch
    expect 2 diff old nothing patch
    expect 6 diff dir new patch
    expect 6 diff pipe new patch
    expect 2 diff old new nowhere/patch
    expect 6 diff old new dir
    expect 2 info nothing
    expect 6 info dir
    alone dir new old pipe
    expect 0 diff old new patch
    expect 2 apply nothing patch out
    expect 2 apply old nothing out
    expect 6 apply old patch dir
    expect 6 apply old pipe out
    expect 2 apply old patch nowhere/out
    alone dir new old patch pipe
}
summaries() { # checks are reported, and a percentage only of a nonzero total
    : >empty
    make_versions
    for kind in delta blocks flash hde; do
        expect 0 diff old new patch --kind $kind
        says "% of new"
        expect 0 apply old patch out
        says "bytes, verified"
    done
    expect 0 diff old new patch --kind vcdiff
    expect 0 apply old patch out
    [ "$out" = "out: $(wc -c <new | sed ':a; s/\B[0-9]\{3\}\>/,&/; ta') bytes" ] || fail "$out"
    expect 0 diff old empty patch
    case "$out" in *%*) fail "$out" ;; esac
    expect 0 apply old patch out
    same empty out
}
nothing_overwrites_its_source() {
    make_versions
    cp old before
    expect 6 diff old new old
    expect 6 diff old new new
    expect 0 diff old new patch
    cp patch copy
    expect 6 apply old patch patch
    expect 6 apply-in-place patch patch
    same copy patch
    same before old
    alone before copy new old patch
}
a_wrong_base() {
    make_images
    bytes 60000 >other
    cp other before
    head -c 59999 old >shorter
    for kind in delta blocks; do
        expect 0 diff old new patch --kind $kind
        expect 6 apply other patch out
        says "not the file that the patch was made for"
        expect 6 apply shorter patch out
        says "not the file"
        expect 6 apply-in-place other patch
        same before other
    done
    expect 6 undo other patch
    says "not the file"
    expect 6 undo old patch
    says "nothing to undo"
    same before other
    alone before new old other patch shorter
}
applied_twice() {
    make_images
    for kind in delta blocks; do
        cp old file
        expect 0 diff old new patch --kind $kind
        expect 0 apply-in-place file patch
        expect 6 apply-in-place file patch
        says "already applied"
        same new file
    done
    expect 0 undo file patch
    expect 6 undo file patch
    says "nothing to undo"
    same old file
}
refuse_damage() { # COMMAND...: status 4 (5 and 6: a field with another meaning now); nothing written
    out=$("$dxpatch" "$@" 2>&1 </dev/null)
    case $? in 4 | 5 | 6) ;; *) fail "status $?: $*: $out" ;; esac
    [ -n "$out" ] || fail "no message: $*"
}
a_truncated_patch() {
    make_images
    for kind in delta blocks; do
        expect 0 diff old new patch --kind $kind
        size=$(stat -c %s patch)
        cp old file
        for at in 0 1 4 64 127 128 129 $((size / 2)) $((size - 1)) $(shuf --random-source=<(bytes 4096) -i 0-$((size - 1)) -n 25); do
            head -c "$at" patch >cut
            expect 4 apply old cut out
            expect 4 apply-in-place file cut
            expect 4 info cut
        done
        { cat patch; printf x; } >cut
        expect 4 apply old cut out
        expect 4 info cut
        same old file
    done
    alone cut file new old patch
}
a_flipped_bit() {
    make_images
    for kind in delta blocks; do
        expect 0 diff old new patch --kind $kind
        size=$(stat -c %s patch)
        cp old file
        for at in 0 4 5 8 16 24 48 80 112 124 128 $((size - 1)) $(shuf --random-source=<(bytes 4096) -i 0-$((size - 1)) -n 40); do
            cp patch flipped
            flip flipped "$at"
            refuse_damage apply old flipped out
            refuse_damage apply-in-place file flipped
        done
        same old file
    done
    alone file flipped new old patch
}
no_patch_at_all() {
    make_versions
    bytes 1000 >noise
    expect 4 apply old noise out
    says "not a patch"
    expect 4 info noise
    : >empty
    expect 4 info empty
    says "empty"
    alone empty new noise old
}
a_full_disk() {
    mkdir "$work/mnt1"
    mount -t tmpfs -o size=200k none "$work/mnt1" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return; }
    bytes 150000 >old
    { bytes 100; tail -c +101 old; } >new
    expect 0 diff old new patch --kind blocks
    cp old "$work/mnt1/file"
    expect 5 apply-in-place "$work/mnt1/file" patch
    says "space"
    same old "$work/mnt1/file"
    expect 5 apply old patch "$work/mnt1/out"
    says "space"
    bytes 200000 >fresh
    expect 5 diff old fresh "$work/mnt1/patch"
    says "space"
    [ "$(ls -A "$work/mnt1")" = file ] || fail "something was left behind: $(ls -A "$work/mnt1")"
    "$dxpatch" info patch >/dev/full 2>/dev/null && fail "info did not see that its output was lost"
}
a_read_only_disk_and_a_size_limit() {
    make_versions
    expect 0 diff old new patch
    cp old file
    out=$( (ulimit -f 20 && "$dxpatch" apply-in-place file patch) 2>&1)
    [ $? = 5 ] || fail "$out"
    same old file
    alone file new old patch
    mkdir "$work/mnt2"
    mount -t tmpfs -o size=1m none "$work/mnt2" 2>/dev/null || return
    cp old "$work/mnt2/file"
    mount -o remount,ro "$work/mnt2"
    expect 5 apply-in-place "$work/mnt2/file" patch
    says "ead-only"
    same old "$work/mnt2/file"
}
killed_at_any_moment() { # the file is the old one or the new one; the next run cleans up
    bytes 8000000 >old
    { bytes 100; tail -c +101 old; } >new
    expect 0 diff old new patch --kind blocks
    cp old file
    for i in $(seq 25); do
        "$dxpatch" apply-in-place file patch --quiet 2>/dev/null &
        moment 100
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        if cmp -s file new; then expect 0 undo file patch; else same old file; fi
        [ $bad = 0 ] || break
    done
    expect 0 apply-in-place file patch
    same new file
    alone file new old patch
}
vcdiff_of() { # SIZE      about 27 bytes of VCDIFF that make SIZE bytes: one run of a byte
    python3 -I -S -c '
import sys
def number(v):
    out = [v & 127]
    while v >> 7: v >>= 7; out.insert(0, v & 127 | 128)
    return bytes(out)
size = number(int(sys.argv[1]))
code = b"\0" + size
body = size + b"\0" + number(1) + number(len(code)) + number(0) + b"x" + code
sys.stdout.buffer.write(b"\xd6\xc3\xc4\0\0\0" + number(len(body)) + body)' "$1"
}
limits_of_memory_and_output() { # whatever a patch demands: refused with its reason, at once, without leftovers
    printf x >old
    vcdiff_of $((3 << 30)) >patch
    [ "$(stat -c %s patch)" -lt 32 ] || fail "$(stat -c %s patch) bytes"
    (case $dxpatch in *asan*) ;; *) ulimit -v 200000 ;; esac && ulimit -t 5 && exec "$dxpatch" apply old patch out) >log 2>&1
    [ $? = 5 ] || fail "$(head -3 log)"
    out=$(cat log) && says "--target-max"
    expect 5 compose old patch patch out
    says "--target-max"
    expect 5 apply old patch out --target-max 3071
    vcdiff_of 3000000 >patch
    expect 0 apply old patch out
    expect 5 apply old patch out --target-max 2
    expect 0 apply old patch out --target-max 3
    rm patch log
    # Every kind, with the same two options.
    seq 180000 >old # 1.1 MB
    { echo one more && cat old; } >new
    rm out
    for kind in delta blocks flash hde vcdiff; do
        expect 0 diff old new patch --kind $kind
        expect 5 apply old patch out --target-max 1
        says "--target-max"
        cp old file
        expect 5 apply-in-place file patch --target-max 1
        same old file
        expect 0 apply-in-place file patch --target-max 3
        same new file
        rm patch file
    done
    expect 0 diff new old patch --kind blocks
    expect 0 apply new patch out
    expect 5 undo out patch --target-max 1
    same old out
    expect 0 undo out patch --target-max 3
    same new out
    rm out
    printf x >old
    seq 60000 | tr 1-9 a-i >new
    expect 0 diff old new patch -9
    expect 0 info patch
    [ "$(get memory_size)" -gt $((1 << 20)) ] || fail "it takes $(get memory_size) bytes"
    expect 5 apply old patch out --memory-max 1
    says "--memory-max"
    expect 5 compose old patch patch out --memory-max 1
    says "--memory-max"
    expect 0 apply old patch out --memory-max 64
    rm out
    expect 0 diff old new patch --kind flash --block-size 65536 --slot-size 8000000
    expect 5 apply old patch out --memory-max 1
    says "--memory-max"
    expect 1 apply old patch out --target-max 0
    expect 1 diff old new out --target-max 1
    expect 1 info patch --memory-max 1
    alone new old patch
}
two_at_once() {
    make_versions
    expect 0 diff old new patch
    cp old file
    exec 9>.file.dxup-part # the lock that a running process holds
    flock 9
    expect 6 apply-in-place file patch
    says "being updated"
    exec 9>&-
    expect 0 apply-in-place file patch
    same new file
}

for case in a_delta a_coding_that_fails blocks_and_undo sizes_that_change one_way a_delta_in_place levels_from_fast_to_small formats_of_deltas \
    info_shows_every_field modes_and_links_stay a_dangling_link_is_not_replaced names_that_look_like_options bounded_memory bounded_memory_of_containers large_files_are_mapped_and_made_in_little_memory a_patch_of_two flash_patches vcdiff_here records vcdiff_with_xdelta3 containers containers_that_are_damaged containers_around_other_patches bad_command_lines \
    limits_of_memory_and_output missing_and_strange_files summaries nothing_overwrites_its_source a_wrong_base applied_twice a_truncated_patch a_flipped_bit \
    no_patch_at_all a_full_disk a_read_only_disk_and_a_size_limit killed_at_any_moment two_at_once; do
    case $dxpatch:$case in *asan*:bounded_memory*) continue ;; esac # the sanitizers' own memory is unbounded
    run $case
done
echo "test_dxpatch: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
