#!/bin/bash
# The metadata that dxup keeps of a directory: times, mode bits, owners, hard links, holes, attributes, access control lists, fifos
# and devices. rsync and bsdtar compare if they are installed, find and python3 everywhere.
# usage: test_fidelity.sh [FILTER...]      runs the cases whose name contains one of the filters
#        DXUP=path                         tests that program instead of build/dxup
set -u
cd "$(dirname "$0")/../.." || exit 1
craft=$PWD/build/dxup_craft
. tests/programs/kit.sh
root=; [ "$(id -u)" = 0 ] && root=yes

make_rich() { # DIR      everything a user can have in a directory
    mkdir -p "$1/sub/deep" "$1/sticky" "$1/closed"
    bytes 300000 >"$1/big"
    echo hi >"$1/small"
    ln "$1/big" "$1/sub/big2"
    ln "$1/big" "$1/zbig"
    ln "$1/small" "$1/sub/deep/small2"
    ln "$1/sub/big2" "$1/closed/big3"
    ln -s small "$1/link"
    ln "$1/link" "$1/sub/linklink"
    truncate -s 5M "$1/image"
    printf data | dd of="$1/image" bs=1 seek=3000000 conv=notrunc 2>/dev/null
    truncate -s 100000 "$1/hole"
    printf end >>"$1/hole"
    mkfifo -m 640 "$1/pipe"
    ln "$1/pipe" "$1/sub/pipe2"
    chmod 4755 "$1/small"
    chmod 2750 "$1/sub"
    chmod 1777 "$1/sticky"
    chmod 555 "$1/closed"
    python3 - "$1" <<'END'
import os, sys
os.chdir(sys.argv[1])
def put(path, name, value):
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError:
        pass # this file system has none: everything else is tested
put("small", "user.note", b"hello\0there")
put("small", "user.empty", b"")
put("big", "user.big", b"x" * 3000)
put("sub", "user.folder", b"of a folder")
acl = b"\2\0\0\0" + b"".join(tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, perm, who in ((1, 6, 2**32 - 1), (2, 4, 1), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1)))
put("hole", "system.posix_acl_access", acl)
put("sticky", "system.posix_acl_default", acl)
for i, path in enumerate(("big", "image", "pipe", "link", "sub/deep", "sub", "closed", "sticky", ".")):
    os.utime(path, ns=(10**18, 10**18 + i * 1001 - (2 * 10**18 if path == "sub" else 0)), follow_symlinks=False)
END
}
make_rich_as_root() { # DIR      and what needs root
    make_rich "$1"
    mknod "$1/null" c 1 3
    mknod "$1/sub/block" b 7 200
    mknod -m 666 "$1/sub/large" c 4000 1000000
    chown 12345:54321 "$1/closed"
    chown 1:2 "$1/sub" "$1/hole"
    chown 3:4 "$1/sub/deep"
    chown -h 5:6 "$1/link"
    chown 7:8 "$1/pipe"
    chmod 2750 "$1/sub"
    python3 - "$1" <<'END'
import os, sys
os.chdir(sys.argv[1])
for path, name, value in (("hole", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")),
                          ("sub", "trusted.of", b"root"), ("link", "trusted.link", b"too")):
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError:
        pass
os.utime("sub", ns=(0, -12345678901))
END
}
# Everything python3 can see: type, mode, owner, time, size, blocks, links, device, attributes, target, content.
everything() { # DIR WITHOUT...
    python3 - "$@" <<'END'
import hashlib, os, stat, sys
os.chdir(sys.argv[1])
without = sys.argv[2:]
first = {}
def show(path):
    st = os.lstat(path)
    out = [path, stat.filemode(st.st_mode), "t%d" % st.st_mtime_ns]
    if "owner" not in without: out.append("%d:%d" % (st.st_uid, st.st_gid))
    if stat.S_ISREG(st.st_mode):
        out += [str(st.st_size), hashlib.sha256(open(path, "rb").read()).hexdigest()[:16]] if os.access(path, os.R_OK) else ["?"]
        if "holes" not in without: out.append("b%d" % st.st_blocks)
    if stat.S_ISLNK(st.st_mode): out.append("-> " + os.readlink(path))
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode): out.append("d%x" % st.st_rdev)
    if not stat.S_ISDIR(st.st_mode) and "links" not in without:
        out.append("n%d=%s" % (st.st_nlink, first.setdefault(st.st_ino, path)))
    if "xattrs" not in without:
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            if name.startswith("security.") and name != "security.capability": continue
            out.append("%s=%s" % (name, os.getxattr(path, name, follow_symlinks=False).hex()[:64]))
    print(" ".join(out))
for top, folders, files in os.walk("."):
    folders.sort()
    show(top)
    for name in sorted(files + [f for f in folders if os.path.islink(os.path.join(top, f))]): show(os.path.join(top, name))
END
}
same_everything() { # DIR DIR WITHOUT...
    local a=$1 b=$2
    shift 2
    everything "$a" "$@" >everything.a
    everything "$b" "$@" >everything.b
    cmp -s everything.a everything.b || fail "$a and $b differ: $(diff everything.a everything.b | head -6)"
    [ $# = 0 ] || return
    if command -v rsync >/dev/null; then
        rsync -nacHAXS --delete --itemize-changes "$a/" "$b/" >rsync.out 2>&1
        [ ! -s rsync.out ] || fail "rsync: $(head -5 rsync.out)"
    fi
    command -v bsdtar >/dev/null || return
    for side in "$a" "$b"; do
        bsdtar -cf - --format=mtree --options='!all,type,mode,uid,gid,time,size,link,device,nlink' -C "$side" . >mtree.out
        sort mtree.out >"mtree.${#side}.$(basename "$side")"
    done
    cmp -s "mtree.${#a}.$(basename "$a")" "mtree.${#b}.$(basename "$b")" || fail "bsdtar: they differ"
}
as_user() { # a command as somebody who is not root, or skip
    if [ -z "$root" ]; then "$@"; else setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; fi
}
has_user() { [ -z "$root" ] || as_user true 2>/dev/null || { skip "no other user"; return 1; }; }

a_directory_with_everything_as_root() {
    [ "$root" ] || { skip "not root"; return; }
    make_rich_as_root in
    expect 0 "$dxup" publish store t in
    [ "$(echo "$out" | grep -c 'not kept')" = 0 ] || fail "$out"
    expect 0 "$dxup" ls store t: --recursive # as ls says it
    (cd in && find . -mindepth 1 -printf '%M %P\n' | sort -k 2) >listed
    [ "$(echo "$out" | sed 's/ -> .*//; s,/$,,' | awk '{print $1, $NF}' | sort -k 2)" = "$(cat listed)" ] ||
        fail "ls: $(echo "$out" | sed 's/ -> .*//; s,/$,,' | awk '{print $1, $NF}' | sort -k 2 | diff - listed | head -5)"
    expect 1 "$dxup" cat store t:pipe
    says "pipe is a fifo"
    expect 0 "$dxup" checkout store t out
    same_everything in out
    expect 0 "$dxup" publish store t in
    says "unchanged"
    expect 0 "$dxup" publish store t out
    says "unchanged"
    expect 0 "$dxup" gc store
    expect 0 "$dxup" verify store
    expect 0 "$dxup" checkout store t again
    same_everything in again
    # each of these makes another version, and is restored, too: so the comparisons detect it
    for change in "chmod 755 in/small" "touch -d 1999-01-01 in/big" "chown 9 in/small" "chmod 700 in/sticky" "rm in/zbig" "chown -h 0:0 in/link" \
        "cp --sparse=never in/hole in/new" "mknod in/other c 1 5" "touch in"; do
        sleep 0.01
        $change
        expect 0 "$dxup" publish store t in
        says "published"
        rm -rf out
        expect 0 "$dxup" checkout store t out
        same_everything in out
    done
}
a_directory_with_everything_as_a_user() {
    has_user || return
    chmod 711 "$work"
    mkdir -m 777 user
    cd user || return
    as_user bash -c "$(declare -f make_rich)
        bytes() { head -c \$1 /dev/zero | tr '\\0' u; }
        make_rich in" || fail "nothing was made"
    expect 0 as_user "$dxup" publish store t in
    expect 0 as_user "$dxup" checkout store t out
    same_everything in out
    expect 0 as_user "$dxup" publish store t out
    says "unchanged"
    cd ..
}
what_only_root_can_is_listed() {
    [ "$root" ] || { skip "not root"; return; }
    has_user || return
    chmod 711 "$work"
    mkdir -m 777 user
    make_rich_as_root in
    chmod 755 in/sub
    expect 0 "$dxup" publish store t in
    chmod -R a+rX store
    expect 7 as_user "$dxup" checkout store t user/out
    says "user/out: not restored: null: a device"
    says "user/out: not restored: sub/block: a device"
    says "user/out: not restored: small: setuid"
    [ ! -e user/out/null ] || fail "a device was made"
    [ "$(stat -c %a user/out/small)" = 755 ] || fail "mode $(stat -c %a user/out/small)"
    [ "$(stat -c %u user/out/closed)" = 65534 ] || fail "a file was given away"
    [ "$(stat -c %a user/out/sticky)" = 1777 ] || fail "mode $(stat -c %a user/out/sticky)"
    same in/hole user/out/hole
    expect 0 as_user "$dxup" checkout store t user/less --no-owner
    [ -p user/less/pipe ] && [ "$(stat -c %a user/less/small)" = 755 ] || fail "not what was asked for"
}
each_kind_can_be_left_out() {
    local option
    make_rich in
    expect 0 "$dxup" publish store t in
    for option in owner times xattrs hard-links sparse specials; do
        rm -rf out
        expect 0 "$dxup" checkout store t out --no-$option
        case $option in
            owner) [ "$(stat -c %a out/small)" = 755 ] && [ "$(stat -c %a out/sticky)" = 1777 ] || fail "bits" ;;
            times) [ "$(stat -c %Y out/big)" != "$(stat -c %Y in/big)" ] || fail "a time" ;;
            xattrs) same_everything in out xattrs holes ;; # a large attribute takes a block
            hard-links) [ "$(stat -c %h out/zbig out/small out/pipe out/link | tr '\n' ' ')" = "1 1 1 1 " ] && same in/big out/sub/big2 || fail "a link" ;;
            sparse) same_everything in out holes; [ "$(stat -c %b out/image)" -ge 10240 ] || fail "a hole" ;;
            specials) [ ! -e out/pipe ] && [ ! -e out/sub/pipe2 ] || fail "a fifo" ;;
        esac
        chmod -R u+w out
    done
    python3 -c 'import os; exit(bool(os.listxattr("out/small")))' || [ "$option" = specials ] || fail "an attribute"
    for option in owner xattrs hard-links sparse specials; do
        expect 0 "$dxup" publish "store-$option" t in --no-$option
        rm -rf out
        case $option in owner) expect 7 "$dxup" checkout "store-$option" t out ;; *) expect 0 "$dxup" checkout "store-$option" t out ;; esac
        case $option in
            owner) says "small: setuid" ;;
            xattrs) same_everything in out xattrs holes ;; # a large attribute takes a block
            hard-links) [ "$(stat -c %h out/zbig)" = 1 ] && same in/big out/sub/big2 || fail "a link" ;;
            sparse) same_everything in out holes; [ "$(stat -c %b out/image)" -ge 10240 ] || fail "a hole" ;;
            specials) [ ! -e out/pipe ] || fail "a fifo" ;;
        esac
        chmod -R u+w out
    done
    expect 1 "$dxup" publish store t in --no-times
    expect 1 "$dxup" verify store --no-owner
}
names_of_owners_count_before_numbers() {
    [ "$root" ] || { skip "not root"; return; }
    mkdir in
    echo x >in/a
    chown daemon:bin in/a || { skip "no such accounts"; return; }
    expect 0 "$dxup" publish store t in
    grep -aq daemon store/objects || fail "no name in the store"
    expect 0 "$dxup" publish numbers t in --numeric-owner
    grep -aq daemon numbers/objects && fail "a name in the store"
    expect 0 "$dxup" checkout store t out
    [ "$(stat -c %U:%G out/a)" = daemon:bin ] || fail "$(stat -c %U:%G out/a)"
    # where daemon has another number
    mkdir etc
    sed 's/^daemon:x:[0-9]*/daemon:x:4321/' /etc/passwd >etc/passwd
    if unshare -m true 2>/dev/null; then
        expect 0 unshare -m sh -c "mount --bind etc/passwd /etc/passwd && '$dxup' checkout store t named && '$dxup' checkout store t numbered --numeric-owner"
        [ "$(stat -c %u named/a)" = 4321 ] || fail "$(stat -c %u named/a)"
        [ "$(stat -c %u numbered/a)" = "$(stat -c %u in/a)" ] || fail "$(stat -c %u numbered/a)"
    fi
}
a_pulled_directory_has_everything() { # with --owner, from a server that is trusted; version by version
    [ "$root" ] || { skip "not root"; return; }
    make_rich_as_root in
    expect 0 "$dxup" publish store t in
    start_server store
    expect 0 "$dxup" pull "$address" t out --owner
    same_everything in out
    expect 0 "$dxup" pull "$address" t out --owner --report
    [ "$(get outcome)" = unchanged ] && [ "$(get wire)" -lt 400 ] || fail "$out"
    for change in "touch -d 1999-01-01 in/big" "chmod 700 in/sticky" "chown 9 in/small" "touch in/sub/deep"; do
        $change # the content is the same: existing files get the rest
        expect 0 "$dxup" publish store t in
        expect 0 "$dxup" pull "$address" t out --owner --report
        [ "$(get wire)" -lt 3000 ] || fail "$out"
        same_everything in out
    done
    for change in "cp in/big in/copy" "rm in/zbig" "truncate -s 9M in/image" "ln in/hole in/closed/hole2"; do
        $change
        expect 0 "$dxup" publish store t in
        expect 0 "$dxup" pull "$address" t out --owner --report
        same_everything in out
    done
    start_proxy streams # and from a server of an earlier release, in ranges
    expect 0 "$dxup" pull "$address" t apart --owner --connections 4
    same_everything in apart
    [ "$(ls -A | grep -c dxup)" = 4 ] || fail "$(ls -A)" # two records, a note; the one in ranges has its details separately
}
odd_names() { # DIR
    python3 - "$1" <<'END'
import os, sys
for i, name in enumerate((b"-n", b" ", b"a\nb", b"tab\t", b"\xff\xfe.bin", "h\u00e4user".encode(), b"back\\slash", b"*?[x]", b".dxup-part", b"x" * 255, b"#1")):
    path = os.path.join(os.fsencode(sys.argv[1]), name)
    if i % 3 == 1:
        os.mkdir(path)
        path += b"/" + name
    with open(path, "wb") as f:
        f.write(name * (i * 500))
    os.utime(path, ns=(0, i * 10**17 - 1))
END
}
round_trip() { # AS IN [OPTION...]      IN as it is, and after changes, over one connection and over four
    local as=$1 in=$2
    shift 2
    expect 0 $as "$dxup" publish $in-store t $in
    start_server $in-store
    expect 0 $as "$dxup" pull "$address" t $in-1 "$@"
    expect 0 $as "$dxup" pull "$address" t $in-4 --connections 4 "$@"
    $as rsync -nacHAXS --delete --itemize-changes $in/ $in-1/ >rsync.out 2>&1
    [ ! -s rsync.out ] || fail "$in: $(head -5 rsync.out)"
    $as rsync -nacHAXS --delete --itemize-changes $in/ $in-4/ >rsync.out 2>&1
    [ ! -s rsync.out ] || fail "$in over four: $(head -5 rsync.out)"
    $as mv $in/sub/deep $in/moved
    $as rm $in/zbig $in/-n
    $as ln $in/small "$in/another name"
    $as truncate -s 6M $in/image
    $as touch -hd 1969-12-31 $in/link
    $as chmod 6711 $in/big
    $as setfattr -n user.note -v changed $in/small 2>/dev/null || $as python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"changed")' $in/small 2>/dev/null
    $as rsync -nacHAXS --delete --itemize-changes $in/ $in-1/ >rsync.out 2>&1
    [ "$(wc -l <rsync.out)" -ge 7 ] || fail "rsync does not see what was changed: $(cat rsync.out)"
    expect 0 $as "$dxup" publish $in-store t $in
    for n in 1 4; do
        expect 0 $as "$dxup" pull "$address" t $in-$n --connections $n "$@"
        $as rsync -nacHAXS --delete --itemize-changes $in/ $in-$n/ >rsync.out 2>&1
        [ ! -s rsync.out ] || fail "$in after an update over $n: $(head -5 rsync.out)"
    done
    stop_server
}
a_round_trip_as_rsync_sees_it() { # as root, and as a user
    command -v rsync >/dev/null || { skip "no rsync"; return; }
    if [ "$root" ]; then
        make_rich_as_root in
        odd_names in
        round_trip "" in --owner
    fi
    has_user || return
    chmod 711 "$work"
    mkdir -m 777 user
    cd user
    make_rich mine
    odd_names mine
    [ -z "$root" ] || chown -hR 65534:65534 mine
    chmod 4755 mine/small
    chmod 2750 mine/sub # chown has removed them
    round_trip as_user mine --owner
}
rights_in() { # DIR      attributes that only root can give
    python3 -c 'import os, sys
files = {os.lstat(p).st_ino: p for d, ds, fs in os.walk(sys.argv[1]) for p in [os.path.join(d, f) for f in ds + fs]}
print(sum(n.startswith(("security.capability", "trusted.")) for p in files.values() for n in os.listxattr(p, follow_symlinks=False)))' "$1"
}
what_a_server_may_do() { # without --owner, nobody's rights come from it
    [ "$root" ] || { skip "not root"; return; }
    make_rich_as_root in
    expect 0 "$dxup" publish store t in
    start_server store
    expect 0 "$dxup" pull "$address" t out
    # One line says what is missing, and which parts were not verified.
    [ "$(echo "$out" | grep -c '^dxup: ')" = 1 ] || fail "not one warning: $out"
    left=$(echo "$out" | grep '^dxup: out: left out: ')
    files() { find in \( "$@" \) -printf '%i\n' | sort -u | wc -l; }
    for what in "owners (of $(files ! -user 0 -o ! -group 0))" "setuid and setgid bits (of $(files -perm /6000))" \
        "capabilities and trusted attributes ($(rights_in in))" "devices ($(files -type b -o -type c))" 'the contents were verified, owners and rights were not; use --owner'; do
        case $left in *"$what"*) ;; *) fail "no '$what' in: $left" ;; esac
    done
    expect 0 "$dxup" pull "$address" t out # unchanged: nothing was left out this time
    [ "$(echo "$out" | grep -c 'left out')" = 0 ] || fail "$out"
    expect 0 "$dxup" pull "$address" t out-stream --connections 2
    [ "$(echo "$out" | sed -n 's/.*: left out: //p')" = "${left#*: left out: }" ] || fail "another line: $out and $left"
    expect 0 "$dxup" pull "$address" t out-owner --owner
    [ "$(echo "$out" | grep -c 'left out')" = 0 ] || fail "$out"
    # The advice holds: with --owner the same version is restored whole, also over a stream, and once only.
    for more in "" "--force" "--connections 2"; do
        expect 0 "$dxup" pull "$address" t advised
        expect 0 "$dxup" pull "$address" t advised --owner $more
        same_everything in advised
        expect 0 "$dxup" pull "$address" t advised --owner --report
        [ "$(get outcome)" = unchanged ] || fail "examined again: $out"
        expect 0 "$dxup" pull "$address" t advised --report # what is there stays
        [ "$(get outcome)" = unchanged ] || fail "without --owner: $out"
        expect 0 "$dxup" pull "$address" t advised --owner --report
        [ "$(get outcome)" = unchanged ] || fail "forgot that owners are there: $out"
        same_everything in advised
        rm -rf advised .advised.dxup*
    done
    start_proxy streams # from an earlier release: in place, where no special file is made
    expect 0 "$dxup" pull "$address" t advised
    expect 0 "$dxup" pull "$address" t advised --owner
    rights() { find "$1" ! -type p ! -type b ! -type c -printf '%P %m %U:%G\n' | sort; }
    [ "$(rights in)" = "$(rights advised)" ] || fail "over a stream: $(diff <(rights in) <(rights advised))"
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    [ "$(stat -c %u:%g out/closed)" = 0:0 ] || fail "an owner"
    [ "$(stat -c %a out/small)" = 755 ] || fail "mode $(stat -c %a out/small)"
    [ ! -e out/null ] && [ ! -e out/sub/block ] || fail "a device"
    [ "$(find out -perm /6000 | wc -l)" = 0 ] || fail "$(find out -perm /6000)"
    python3 -c 'import os; exit(any(n.startswith(("security.capability", "trusted.")) for p in ("out/hole", "out/sub") for n in os.listxattr(p)))' || fail "a capability"
    [ -p out/pipe ] && [ "$(stat -c %h out/big)" = 4 ] && [ "$(stat -c %Y out/big)" = "$(stat -c %Y in/big)" ] || fail "the rest"
    [ "$(stat -c %b out/image)" = "$(stat -c %b in/image)" ] || fail "holes"
    for option in times hard-links sparse specials xattrs; do
        expect 0 "$dxup" pull "$address" t "out-$option" --no-$option
    done
    [ "$(stat -c %Y out-times/big)" != "$(stat -c %Y in/big)" ] || fail "times"
    [ "$(stat -c %h out-hard-links/big)" = 1 ] || fail "hard links"
    [ "$(stat -c %b out-sparse/image)" -ge 10240 ] || fail "holes"
    [ ! -e out-specials/pipe ] || fail "a fifo"
    has_user || return
    chmod 711 "$work"
    mkdir -m 777 user
    expect 0 as_user "$dxup" pull "$address" t user/out
    [ "$(stat -c %h user/out/big)" = 4 ] && [ "$(stat -c %Y user/out/big)" = "$(stat -c %Y in/big)" ] || fail "as a user"
    expect 7 as_user "$dxup" pull "$address" t user/more --owner
    says "null: a device"
    says "small: setuid"
}
details_that_nobody_publishes() { # a server that serves what dxup_craft made: the tree is as before, or entirely right
    local case
    mkdir outside
    echo mine >outside/secret
    "$craft" store good xattr-other
    for case in same-above same-missing same-later same-itself same-other same-link hole-content hole-object xattr-object; do
        "$craft" store $case $case
    done
    start_server store
    for case in same-above same-missing same-later same-itself same-other same-link hole-content hole-object xattr-object; do
        "$dxup" pull "$address" $case out >said 2>&1
        case $? in
            4) [ ! -e out ] || fail "$case: half a tree" ;;
            7) case $case in same-missing | same-link) ;; *) fail "$case: $(cat said)" ;; esac ;; # no link was made
            *) fail "$case: $(cat said)" ;;
        esac
        rm -rf out .out*
    done
    [ "$(cat outside/secret) $(stat -c %h outside/secret)" = "mine 1" ] || fail "something outside changed"
    expect 7 "$dxup" pull "$address" good out --owner
    says "a: attribute security.selinux"
}
a_sparse_image_is_not_read() { # 64 GiB; read at 2 GB/s it would take half a minute
    mkdir in
    truncate -s 64G in/image 2>/dev/null || { skip "no file of that size"; return; }
    printf data | dd of=in/image bs=1 seek=40000000000 conv=notrunc 2>/dev/null
    expect 0 timeout 20 "$dxup" publish store t in
    expect 0 timeout 20 "$dxup" checkout store t out
    [ "$(stat -c '%s %b' in/image)" = "$(stat -c '%s %b' out/image)" ] || fail "$(stat -c '%s %b' in/image out/image)"
    [ "$(dd if=out/image bs=1 skip=40000000000 count=4 2>/dev/null)" = data ] || fail "its data"
    [ "$(stat -c %s store/objects)" -lt 1000000 ] || fail "a store of $(stat -c %s store/objects) bytes"
}
holes_do_not_change_content() { # the same chunks with and without, wherever a hole begins and ends
    local i
    mkdir a b
    for i in $(seq 12); do
        python3 - a/f$i $((seed * 100 + i)) <<'END'
import random, sys
r = random.Random(int(sys.argv[2]))
with open(sys.argv[1], "wb") as f:
    for _ in range(r.randrange(1, 6)):
        f.seek(r.choice((0, 1, 4096, 8192, 131072, 131073, 300000, 1000000)), 1)
        f.write(r.randbytes(r.choice((1, 100, 4096, 5000, 70000, 200000))))
    f.truncate(f.tell() + r.choice((0, 1, 4096, 500000)))
END
    done
    cp --sparse=never a/* b/
    touch -r a a/* b b/*
    expect 0 "$dxup" publish store t a
    before=$(stat -c %s store/objects)
    expect 0 "$dxup" publish store t b
    [ $(($(stat -c %s store/objects) - before)) -lt 4000 ] || fail "content was stored again: $(($(stat -c %s store/objects) - before)) bytes"
    expect 0 "$dxup" checkout store t@1 outa
    expect 0 "$dxup" checkout store t@2 outb
    same_everything a outa
    same_everything b outb
    start_server store # as a stream it is the same, too
    expect 0 "$dxup" pull "$address" t pulled
    same_everything b pulled
}
very_many_holes_and_attributes() { # as objects; anything beyond even those is reported
    mkdir in
    python3 - <<'END'
import os
with open("in/some", "wb") as f:
    for i in range(2000): f.seek(8192 * i); f.write(b"x")
with open("in/many", "wb") as f:
    for i in range(33000): f.seek(8192 * i); f.write(b"x")
open("in/attributes", "w")
try:
    for i in range(10): os.setxattr("in/attributes", "user.%d" % i, bytes([i]) * 300)
except OSError:
    pass
END
    expect 0 "$dxup" publish store t in
    says "holes (in 1;"
    expect 0 "$dxup" gc store
    expect 0 "$dxup" checkout store t out
    same_everything in out holes
    [ "$(stat -c %b in/some)" = "$(stat -c %b out/some)" ] || fail "holes"
}
directories_of_version_1_are_as_they_were() { # byte for byte what the format had before
    mkdir -p in/sub/deep in/empty
    echo hi >in/a
    head -c 200000 /dev/zero | tr '\0' q >in/b
    for i in $(seq 300); do echo $i >in/sub/f$i; done
    ln -s a in/l
    chmod 755 in in/sub in/sub/deep in/empty
    chmod 644 in/a in/b in/sub/f*
    find in -exec touch -h -d @1000000000 {} +
    expect 0 "$dxup" publish store t in --no-owner --no-xattrs
    expect 0 "$dxup" log store t
    says b5b03ec872b862670403296347a5a1a07afaff09b881f8f47d778ebaaa5bd00e
    grep -aq DXSNAP1 store/objects || fail "not version 1"
    before=$(stat -c %s store/objects)
    expect 0 "$dxup" publish store t in # says whose it is, once
    says "t@2 published"
    [ $(($(stat -c %s store/objects) - before)) -lt 700 ] || fail "the store grew by $(($(stat -c %s store/objects) - before))"
    expect 0 "$dxup" checkout store t@1 out
    diff -r in out || fail "another content"
}
snapshots_that_nobody_publishes() {
    local case
    mkdir outside
    echo mine >outside/secret
    for case in same-above same-missing same-later same-itself same-other same-mode same-link same-twice hole-content hole-object xattr-object; do
        "$craft" store $case $case || fail "$case cannot be made"
        expect 4 "$dxup" checkout store $case out
        [ ! -e out ] && [ ! -e .out.dxup-part ] || fail "$case: something was left"
    done
    [ "$(cat outside/secret) $(stat -c %h outside/secret)" = "mine 1" ] || fail "something outside changed"
    "$craft" store label xattr-other
    expect 7 "$dxup" checkout store label out
    says "a: attribute security.selinux"
    "$craft" store bits setuid
    expect 7 "$dxup" checkout store bits out --force
    says "a: setuid"
    says "a: setgid"
    [ "$(stat -c %a out/a)" = 755 ] || fail "mode $(stat -c %a out/a)"
    expect 0 "$dxup" checkout store bits out --force --no-owner
    [ "$(stat -c %a out/a)" = 755 ] || fail "mode $(stat -c %a out/a)"
}
bytes_that_are_no_snapshot() { # names that lead elsewhere, sums that lie, objects of another type: checkout and pull refuse them
    local case cases="name-up name-dot name-slash name-root name-zero name-empty name-long type-9 mode-high link-empty link-zero inline-long cut
        name-twice names-descend link-and-dir dir-is-chunk dir-is-list list-is-chunk list-is-lower level-9 file-size chunk-size chunk-large
        file-small sum-children sum-total sum-around sum-below dir-size dir-count deep"
    mkdir outside
    echo mine >outside/secret
    for case in $cases; do "$craft" store $case $case || fail "$case cannot be made"; done
    start_server store
    local objects=$address
    start_proxy streams
    for case in $cases; do
        "$dxup" checkout store $case out >said 2>&1
        case $?$case in 4* | 6deep) ;; *) fail "$case: $(cat said)" ;; esac
        expect 4 "$dxup" pull "$objects" $case out
        "$dxup" pull "$address" $case out >said 2>&1
        case $? in 3 | 4) ;; *) fail "$case as a stream: $(cat said)" ;; esac
        [ -z "$(find . -maxdepth 1 -name '*out' ! -name outside)" ] || fail "$case: something was left"
        rm -f .out*
    done
    [ "$(ls outside) $(cat outside/secret)" = "secret mine" ] || fail "something outside changed"
    [ ! -e /tmp/dxup-was-here ] || fail "something far away was made"
}
a_destination_without_attributes() {
    [ "$root" ] && mkdir "$work/mnt" 2>/dev/null && mount -t ramfs none "$work/mnt" 2>/dev/null || { skip "no ramfs"; return; }
    make_rich in
    python3 -c 'import os, sys; sys.exit(not os.listxattr("in/small"))' || { skip "no attributes here"; return; }
    expect 0 "$dxup" publish store t in
    expect 7 "$dxup" checkout store t "$work/mnt/out"
    says "not restored: small: attribute user.note"
    says "not restored: sub: attribute user.folder"
    same_everything in "$work/mnt/out" xattrs holes
    expect 0 "$dxup" checkout store t "$work/mnt/out" --force --no-xattrs
}

for case in a_directory_with_everything_as_root a_directory_with_everything_as_a_user what_only_root_can_is_listed each_kind_can_be_left_out \
    a_pulled_directory_has_everything a_round_trip_as_rsync_sees_it what_a_server_may_do details_that_nobody_publishes names_of_owners_count_before_numbers a_sparse_image_is_not_read holes_do_not_change_content very_many_holes_and_attributes \
    directories_of_version_1_are_as_they_were snapshots_that_nobody_publishes bytes_that_are_no_snapshot a_destination_without_attributes; do
    run $case
done
finish
