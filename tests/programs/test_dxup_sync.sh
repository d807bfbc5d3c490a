#!/bin/bash
# Pulls of snapshots (docs/formats/sync.md): bytes on the wire, the state after a kill, what servers may do.
# usage: test_dxup_sync.sh [FILTER...]      runs the cases whose name contains one of the filters
#        DXUP=path                          tests that program instead of build/dxup
set -u
cd "$(dirname "$0")/../.." || exit 1
evil=$PWD/build/dxup_evil_sync
craft=$PWD/build/dxup_craft
. tests/programs/kit.sh

sources() { # DIR COUNT      similar text files, like those of a project
    python3 -I -S -c '
import os, random, sys
r = random.Random(int(sys.argv[2]))
words = ["alpha", "buffer", "count", "delta", "entry", "fetch", "group", "hash", "index", "join", "kept", "level", "merge", "node", "offset", "piece"]
for i in range(int(sys.argv[2])):
    d = "%s/dir%d" % (sys.argv[1], i % 20)
    os.makedirs(d, exist_ok=True)
    with open("%s/file%d.c" % (d, i), "w") as f:
        for line in range(r.randrange(20, 200)):
            f.write("    %s = %s(%s, %d);\n" % (r.choice(words), r.choice(words), r.choice(words), r.randrange(10000)))' "$1" "$2"
}
packed() { tar -C "$1" -cf - . | gzip -6 | wc -c; } # bytes of the directory, compressed as one
pull_to() { # DIR MOST      the pull makes it equal to v, with at most MOST bytes on the wire
    expect 0 "$dxup" pull "$address" t "$1" --report
    same_tree v "$1"
    [ "$(get wire)" -le "$2" ] || fail "$(get wire) bytes instead of $2: $out"
    [ -z "$(find . -maxdepth 1 -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
publish() { expect 0 "$dxup" publish store t v; }

# >>bytes on the wire
a_first_pull_is_compressed() { # across files, so like a solid archive, plus one id in each direction per object
    sources v 1000
    publish
    start_server store
    pull_to out $(($(packed v) + 1000 * 64))
    [ "$(get wire)" -le $(($(stat -c %s store/objects) * 3 / 4)) ] || fail "more than the store holds: $out"
}
one_changed_line_in_a_large_file() {
    sources v 20
    for i in $(seq 100000); do echo "line $i of a file with many lines, $((i * i % 10007))"; done >v/large
    bytes 5000000 >>v/large
    publish
    start_server store
    pull_to out 6500000
    sed -i '50000s/line/LINE/' v/large
    publish
    pull_to out 3000
}
one_changed_file_of_many() {
    sources v 3000
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    echo "one more line" >>v/dir7/file7.c
    publish
    pull_to out 3000
}
what_is_renamed_is_not_sent() {
    sources v 500
    bytes 3000000 >v/dir3/random
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    mv v/dir3/random v/dir4/moved
    mv v/dir5 v/elsewhere
    publish
    pull_to out 5000
}
a_seed_spares_what_it_has() { # any other directory, which is only read
    sources v 300
    bytes 3000000 >v/random
    publish
    start_server store
    cp -a v other
    rm -r other/dir3
    mv other/random other/renamed
    echo more >>other/dir1/file1.c
    printf x | dd of=other/renamed bs=1 seek=100000 conv=notrunc 2>/dev/null
    cp -a other before
    expect 0 "$dxup" pull "$address" t out --seed other --report # nothing there yet
    same_tree v out
    [ "$(get wire)" -le 120000 ] || fail "$(get wire) bytes: $out"
    [ "$(get outcome)" = patch ] || fail "$out"
    same_tree before other
    rm -rf v/dir5 && sources w 40 && mv w v/new && bytes 900000 >v/more # and next to existing data
    publish
    cp -a v/more before/more
    expect 0 "$dxup" pull "$address" t out --seed before --report
    same_tree v out
    [ "$(get wire)" -le 120000 ] || fail "$(get wire) bytes: $out"
    expect 2 "$dxup" pull "$address" t out --seed nowhere
    expect 1 "$dxup" pull "$address" t out --seed v/more
    rm -rf out
    expect 0 "$dxup" publish store f v/more
    expect 0 "$dxup" pull "$address" f file --seed other
    says "--seed is ignored"
    cmp v/more file || fail "the file differs"
    rm -rf out
    start_proxy streams
    expect 0 "$dxup" pull "$address" t out --seed other
    says "--seed is ignored"
    same_tree v out
}
numbered() { for i in $(seq "$1"); do echo "line $i of a file with many lines, $((i * i % 10007))"; done; } # LINES
pull_file() { # MOST [OPTION...]   the pull makes `file` equal to f, with at most MOST bytes on the wire
    expect 0 "$dxup" pull "$address" f file --report "${@:2}"
    cmp f file || fail "the file differs"
    [ "$(get wire)" -le "$1" ] || fail "$(get wire) bytes instead of $1: $out"
    [ -z "$(find . -maxdepth 1 -name '*dxup-*')" ] || fail "something was left behind"
}
a_file_is_sent_as_its_chunks() { # compressed; updates as a patch, or as chunk deltas if the file is too large for one
    { numbered 60000 && bytes 2000000; } >f
    expect 0 "$dxup" publish store f f
    start_server store
    pull_file $(gzip -6 <f | wc -c)
    [ "$(get outcome)" = full ] || fail "$out"
    cp f old
    sed -i '30000s/line/LINE/' f
    expect 0 "$dxup" publish store f f
    pull_file 1000
    [ "$(get outcome)" = patch ] || fail "$out"
    expect 0 "$dxup" pull "$address" f file --report
    [ "$(get outcome)" = unchanged ] && [ "$(get wire)" -le 500 ] || fail "$out"
    { cat old; echo "changed here, so that no server knows it"; } >file # chunks are the same all the same, except the last
    pull_file 140000 --force
    [ "$(get outcome)" = patch ] || fail "$out"
    stop_server
    start_server store --patch-max 1000
    cp old file
    pull_file 5000 --force
    [ "$(get outcome)" = patch ] || fail "$out"
    : >file
    pull_file $(gzip -6 <f | wc -c) --force
    [ "$(get outcome)" = full ] || fail "$out"
    for n in 1 1000 1023 1024 1025 70000; do # as one piece, as one chunk, as a list
        bytes "$n" >f
        expect 0 "$dxup" publish store f f
        rm -f file .file.dxup
        pull_file $((n + 1200))
    done
}
a_file_too_large_for_a_patch_is_sent_as_its_changes() { # each chunk with the existing ones as a base: the server has room for few at once
    bytes 9000000 >f
    cp f file
    expect 0 "$dxup" publish store f f
    for at in $(seq 100000 300000 8900000); do printf changed | dd of=f bs=1 seek="$at" conv=notrunc status=none; done
    expect 0 "$dxup" publish store f f
    start_server store --patch-max 1000
    pull_file 25000
    [ "$(get outcome)" = patch ] || fail "$out"
}
a_file_with_zeros_is_sent_as_its_data() { # and has holes for the rest
    truncate -s 300M f
    bytes 1000000 | dd of=f bs=4096 seek=20000 conv=notrunc status=none
    expect 0 "$dxup" publish store f f 2>/dev/null
    start_server store
    pull_file 1150000
    [ "$(du -k file | cut -f1)" -le 1300 ] || fail "it takes $(du -k file) KiB"
    rm file
    pull_file 1150000 --no-sparse
    [ "$(du -k file | cut -f1)" -ge 300000 ] || fail "it takes $(du -k file) KiB"
}
a_sparse_image_is_sent_as_its_data() {
    mkdir v
    truncate -s 200M v/image
    bytes 100000 | dd of=v/image bs=4096 seek=20000 conv=notrunc status=none
    publish
    start_server store
    pull_to out 330000
    [ "$(du -k out/image | cut -f 1)" -lt 1000 ] || fail "the holes were filled: $(du -k out/image)"
}
what_is_fetched_is_compressed_on_disk() { # also after the scan, whose listings are not
    local most=0 now size puller
    sources v 20
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    sources v 600
    size=$(cat $(find v -type f) | wc -c)
    publish
    "$dxup" pull "$address" t out --limit-rate 400K >log 2>&1 </dev/null &
    puller=$!
    while kill -0 $puller 2>/dev/null; do
        now=$(stat -c %s .out.dxup-sync/objects 2>/dev/null) && [ "$now" -gt $most ] && most=$now
        sleep 0.1
    done
    wait $puller || fail "$(cat log)"
    same_tree v out
    [ $most -gt 100000 ] || fail "nothing was seen to be fetched: $most bytes"
    [ $most -lt $((size * 3 / 4)) ] || fail "$most bytes on the disk for $size"
}
times_alone_cost_little() {
    sources v 500
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    touch -d '2001-02-03 04:05:06' v/dir2/file2.c
    publish
    expect 0 "$dxup" pull "$address" t out --report
    [ "$(get outcome)" = unchanged ] && [ "$(get wire)" -lt 3000 ] || fail "$out"
    [ v/dir2/file2.c -nt out/dir2/file2.c ] || [ v/dir2/file2.c -ot out/dir2/file2.c ] && fail "its time was not set"
    [ -z "$(find . -maxdepth 1 -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}

# >>the disk
unchanged_files_are_not_written() {
    sources v 200
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    before=$(cd out && find . -type f ! -name file7.c -printf '%P %i\n' | sort)
    cp -al out mine # hard links of somebody else: shared files are rewritten, not changed
    rm -r mine/dir9 mine/dir1*
    echo more >>v/dir7/file7.c
    publish
    pull_to out 3000
    shared=$(cd out && find . -type f -links +1 | wc -l)
    [ "$shared" = 0 ] || fail "$shared files have names outside"
    kept=$(comm -12 <(echo "$before") <(cd out && find . -type f -printf '%P %i\n' | sort) | grep -c '^dir9/\|^dir1[0-9]*/')
    [ "$kept" = "$(find v/dir9 v/dir1 v/dir1? -type f | wc -l)" ] || fail "$kept files were kept"
}
directories() { (cd "$1" && find . -type d -printf "%P $2\n" | sort); }
only_what_has_all_changes_is_replaced() { # the smallest directory; those above it keep even their times
    sources v 200
    mkdir -p v/deep/er/est v/deep/other
    echo one | tee v/deep/er/est/{a,b} v/deep/er/c v/deep/other/d >/dev/null
    chmod 750 v/deep/er/est
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    local round before
    for round in a_file a_name an_attribute below; do
        before=$(directories out %i)
        case $round in
            a_file) echo "$round" >>v/deep/er/est/a ;;
            a_name) mv v/deep/er/est/b v/deep/er/est/b2 ;;
            an_attribute) chmod 755 v/deep/er/est ;;
            below) mkdir -p v/deep/er/est/x/y && echo new >v/deep/er/est/x/y/z ;;
        esac
        publish
        pull_to out 3000
        local changed
        changed=$(comm -13 <(echo "$before") <(directories out %i) | cut -d ' ' -f 1 | paste -sd ' ')
        case $changed in
            "deep/er/est" | "deep/er/est deep/er/est/x deep/er/est/x/y") ;;
            *) [ $round = an_attribute ] && [ "$changed" = deep/er/est ] || fail "$round: $changed was replaced" ;;
        esac
        [ "$(directories out %T@)" = "$(directories v %T@)" ] || fail "$round: other times"
    done
    before=$(directories out %i)
    echo two | tee -a v/deep/er/c v/dir0/file0.c >/dev/null # only the root has both
    publish
    pull_to out 4000
    [ -z "$(comm -12 <(echo "$before") <(directories out %i))" ] || fail "not all was replaced"
}
what_cannot_be_replaced_alone() { # hard links on both sides; a directory that must not be moved
    sources v 40
    mkdir -p v/in/side
    echo one | tee v/in/side/{a,b} >/dev/null
    ln v/in/side/a v/dir0/a
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    echo two >>v/in/side/b
    publish
    pull_to out 3000
    [ "$(stat -c %i out/in/side/a)" = "$(stat -c %i out/dir0/a)" ] || fail "two names became two files"
    rm -r v/dir0/a out
    chmod 555 v/in/side
    publish
    local user=
    [ "$(id -u)" != 0 ] || user="setpriv --reuid=65534 --clear-groups"
    mkdir own && chmod 777 own . && chmod 755 "$work"
    $user true 2>/dev/null && $user test -x "$dxup" || { chmod -R u+w v; skip "no other user who may run it"; return; }
    expect 0 $user "$dxup" pull "$address" t own/out
    chmod 755 v/in/side
    echo three >>v/in/side/b
    chmod 555 v/in/side
    publish
    expect 0 $user "$dxup" pull "$address" t own/out
    same_tree v own/out
    [ -z "$(find own -maxdepth 1 -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
    chmod -R u+w v own
}
files_opened() { # DIR COMMAND...     how many files of the directory were opened meanwhile, in $opened
    opened=$(python3 -I -S -c '
import ctypes, os, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)
for folder, _, _ in os.walk(sys.argv[1]):
    assert libc.inotify_add_watch(fd, folder.encode(), 0x20) >= 0
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
count = 0
try:
    while True:
        events, at = os.read(fd, 1 << 20), 0
        while at < len(events):
            _, mask, _, size = struct.unpack_from("iIII", events, at)
            count += not mask & 0x40000000
            at += 16 + size
except BlockingIOError:
    pass
print(count)
sys.exit(done.returncode)' "$@" 2>files_opened.log) || fail "status $?: $(tail -3 files_opened.log)"
}
what_was_left_alone_is_not_read_again() { # from the second update on: the first one left a note about them
    sources v 400
    bytes 1500000 >v/large # about 47 chunks
    touch -d '2020-01-02 03:04:05' v/large
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    sleep 2.2 # a file is trusted when it is two seconds old
    if [ -r /proc/self/io ]; then
        bytes_read "$dxup" pull "$address" t out
        [ "$has_read" -lt 100000 ] || fail "a pull with nothing new read $has_read bytes"
    fi
    local i
    for i in 1 2 3; do
        echo $i >>v/dir7/file7.c
        publish
        files_opened out "$dxup" pull "$address" t out
        same_tree v out
        [ -z "$(find . -maxdepth 1 -name '*dxup-part*' -o -maxdepth 1 -name '*dxup-sync')" ] || fail "something was left behind"
        [ $i = 1 ] || [ "$opened" -le 70 ] || fail "update $i opened $opened files"
    done
    files_opened out "$dxup" pull "$address" t out --report
    [ "$opened" -le 60 ] || fail "nothing new opened $opened files"
    expect 0 "$dxup" pull "$address" t out
    says "unchanged since $(date -u +%Y)" # only data that was read is verified
    says "by size and time"
    expect 0 "$dxup" pull "$address" t out --checksum
    says "... verified"
    files_opened out "$dxup" pull "$address" t out --checksum
    [ "$opened" -ge 400 ] || fail "--checksum opened $opened files"
    # Changes by others are detected, also with the same size and time; and a damaged cache is ignored.
    echo 4 >>v/dir7/file7.c
    publish
    touch -r out/dir3/file3.c time
    printf X | dd of=out/dir3/file3.c conv=notrunc status=none
    touch -r time out/dir3/file3.c
    expect 6 "$dxup" pull "$address" t out
    expect 0 "$dxup" pull "$address" t out --force
    same_tree v out
    for i in 5 6; do
        echo $i >>v/dir7/file7.c
        publish
        expect 0 "$dxup" pull "$address" t out
        [ $i = 5 ] || printf YYYY | dd of=.out.dxup-seen bs=1 seek=$((48 + 80 * 7 + 50)) conv=notrunc status=none
    done
    echo 7 >>v/dir9/file9.c
    publish
    expect 0 "$dxup" pull "$address" t out
    same_tree v out
}
a_file_that_changes_unseen_is_not_mixed() { # same size and time, other content: detected by reading, not by lstat
    sources v 100
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    touch -r out/dir3/file3.c time
    printf X | dd of=out/dir3/file3.c conv=notrunc status=none
    touch -r time out/dir3/file3.c
    echo more >>v/dir4/file4.c
    publish
    expect 6 "$dxup" pull "$address" t out
    expect 0 "$dxup" pull "$address" t out --force
    same_tree v out
}

what_is_verified_is_said() { # the snapshot, as by log and checkout: the hash of its stream equals the server's
    sources v 20
    publish
    start_server store
    expect 0 "$dxup" checkout store t there
    local id
    id=$(echo "$out" | sed 's/.*BLAKE3 \(.\{16\}\).*/\1/')
    expect 0 "$dxup" pull "$address" t out
    says "BLAKE3 $id... verified"
    # Without a snapshot the content was verified: its hash differs from the log's, and is reported.
    expect 0 "$dxup" pull "$address" t out
    says "unchanged"
    says "content's BLAKE3 "
    start_proxy streams
    expect 0 "$dxup" pull "$address" t other
    says "content's BLAKE3 "
}

what_changes_without_a_trace_is_read() { # a store through a mapping on tmpfs leaves size and times: no note is kept then
    mkdir "$work/mnt1"
    mount -t tmpfs none "$work/mnt1" 2>/dev/null || { skip "no tmpfs can be mounted"; return; }
    sources v 40
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t "$work/mnt1/out"
    mkfifo now
    python3 -I -S -c '
import mmap, os, sys
with open(sys.argv[1], "r+b") as f:
    before = os.fstat(f.fileno())
    m = mmap.mmap(f.fileno(), 0)
m[0:1] = m[0:1]
os.utime(sys.argv[1], ns=(before.st_atime_ns, before.st_mtime_ns))
sys.stdin.read()
m[0:4] = b"LOST"' "$work/mnt1/out/dir3/file3.c" <now &
    local i writer=$!
    exec 8>now
    sleep 2.2
    for i in 1 2; do
        echo $i >>v/dir7/file7.c
        publish
        expect 0 "$dxup" pull "$address" t "$work/mnt1/out" 8>&-
        sleep 2.2
    done
    exec 8>&-
    wait "$writer" || fail "no writer"
    expect 6 "$dxup" pull "$address" t "$work/mnt1/out" # it is detected as no version
    expect 0 "$dxup" pull "$address" t "$work/mnt1/out" --force
    same_tree v "$work/mnt1/out"
    umount "$work/mnt1"
}

what_moved_is_a_base() { # a chunk is like the old one between the same neighbours, wherever that is
    local kind wire
    mkdir old new
    bytes 6000000 >old/f
    # 300,000 bytes come first, a million are removed, and 20 places change.
    python3 -I -S -c '
import random
r = random.Random(6)
old = open("old/f", "rb").read()
old = old[:2000000] + old[3000000:]
for k in range(20):
    at = 100000 + 240000 * k
    old = old[:at] + b"changed" + old[at + r.choice((0, 7)):]
open("new/f", "wb").write(r.randbytes(300000) + old)'
    for kind in old new; do
        expect 0 "$dxup" publish store t $kind --quiet
        expect 0 "$dxup" publish store f $kind/f --quiet
    done
    start_server store --patch-max 100K
    for kind in t f; do
        rm -rf out .out*
        expect 0 "$dxup" checkout store $kind@1 out --quiet
        expect 0 "$dxup" pull "$address" $kind out --report
        wire=$(get wire)
        # Of the rest each takes a few hundred bytes, and the lists of chunks some KB. 20 chunks are 640 KB.
        [ "$wire" -le 345000 ] || fail "$kind: $wire bytes for 300,000"
    done
    cmp out new/f || fail "another file"
}
a_dry_run_changes_nothing() { # and says within 5 % what is sent
    local kind from apart
    sources v 40
    bytes 300000 >v/data
    numbered 20000 >f
    for kind in t f; do
        [ $kind = t ] && from=v || from=f
        expect 0 "$dxup" publish store $kind $from
        if [ $kind = t ]; then bytes 100000 >v/new; else numbered 20200 >f; fi
        expect 0 "$dxup" publish store $kind $from
    done
    expect 0 "$dxup" publish store same f
    start_server store
    cost() { out=$(echo "$out" | sed -n 's/.*"wire":\([0-9]*\).*/\1/p'); }
    for kind in t f; do
        for from in "" 1; do
            rm -rf out .out.dxup*
            [ -z "$from" ] || expect 0 "$dxup" checkout store $kind@$from out --quiet
            find . -name '*out*' -printf '%p %T@ %i\n' | sort >before
            expect 0 "$dxup" pull "$address" $kind out --dry-run
            says "$kind@2 would be pulled to out: "
            expect 0 "$dxup" pull "$address" $kind out --dry-run --json
            cost
            most=$out
            find . -name '*out*' -printf '%p %T@ %i\n' | sort | cmp - before || fail "something was changed"
            expect 0 "$dxup" pull "$address" $kind out --report
            apart=$(($(get wire) - most))
            [ $((${apart#-} * 20)) -le $((most + 2000)) ] || fail "$kind $from: $most said, $(get wire) sent"
        done
        expect 0 "$dxup" pull "$address" $kind out --dry-run
        says "$kind@2 is in out already"
        [ $kind = t ] && echo mine >>out/data || echo mine >>out
        expect 6 "$dxup" pull "$address" $kind out --dry-run
        says "changed locally"
        expect 0 "$dxup" pull "$address" $kind out --dry-run --force --exec "touch ran"
        [ ! -e ran ] || fail "--exec of a dry run"
        grep -q mine out out/data 2>/dev/null || fail "it was replaced"
    done
    expect 2 "$dxup" pull "$address" nothing out --dry-run
}

# >>bytes read
bytes_read() { # COMMAND...      its bytes read by system calls, as the kernel counts them, in $has_read
    has_read=$(python3 -I -S -c '
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
with open("/proc/%d/io" % child.pid) as f:
    print(next(line.split()[1] for line in f if line.startswith("rchar:")))
sys.exit(child.wait())' "$@" 2>bytes_read.log) || fail "status $?: $(tail -3 bytes_read.log)"
}
large_files() { # DIR     8 files of 1.5 MB, about 47 chunks each, in three directories; one small one
    mkdir -p "$1/a/deep" "$1/b"
    local i
    for i in top0 top1 a/f2 a/f3 a/deep/f4 b/f5 b/f6 b/f7; do bytes 1500000 >"$1/$i"; done
    echo small >"$1/b/small"
    find "$1" -exec touch -d '2020-01-02 03:04:05' {} + # files written just now are always read
}
nothing_is_read() { # [WHAT]      a pull with nothing new reads less than 1 % of the 12 MB, and detects a changed file
    bytes_read "$dxup" pull "$address" t out
    [ "$has_read" -lt 120000 ] || fail "$1: a pull with nothing new read $has_read bytes"
    grep -q "unchanged since" bytes_read.log || fail "$1: $(cat bytes_read.log)"
}
chunk_lists_are_kept_with_the_note() {
    [ -r /proc/self/io ] || { skip "this system does not count what is read"; return; }
    large_files v
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    sleep 2.1
    nothing_is_read "after the first pull"
    # A file in one directory: only that directory is exchanged.
    printf X | dd of=v/b/f6 bs=1 seek=700000 conv=notrunc status=none
    publish
    bytes_read "$dxup" pull "$address" t out
    [ "$has_read" -lt 3500000 ] || fail "one changed file in a directory: $has_read bytes were read"
    same_tree v out
    sleep 2.1
    nothing_is_read "after a part was replaced"
    # In two directories: everything is exchanged, and unchanged files are linked.
    printf X | dd of=v/top1 bs=1 seek=700000 conv=notrunc status=none
    printf Y | dd of=v/a/deep/f4 bs=1 seek=700000 conv=notrunc status=none
    publish
    bytes_read "$dxup" pull "$address" t out
    [ "$has_read" -lt 8000000 ] || fail "two changed files: $has_read bytes were read"
    same_tree v out
    sleep 2.1
    nothing_is_read "after all was replaced"
    # A file that was changed locally is read, and no other; --force restores it.
    printf Z | dd of=out/a/f2 bs=1 seek=700000 conv=notrunc status=none
    expect 6 "$dxup" pull "$address" t out
    sleep 2.1
    bytes_read "$dxup" pull "$address" t out --force
    [ "$has_read" -lt 17000000 ] || fail "one file changed here: $has_read bytes were read"
    same_tree v out
    sleep 2.1
    nothing_is_read "after --force"
    # Without the note everything is read, and a new note is written.
    rm .out.dxup-seen
    bytes_read "$dxup" pull "$address" t out
    [ "$has_read" -gt 12000000 ] || fail "without a note $has_read bytes were read"
    says_log "verified"
    nothing_is_read "after a pull without a note"
}
a_note_that_lies_is_found_out() { # truncated, with other bytes, lists or rows, even if its hash is right: the directory is read
    large_files v
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    cp .out.dxup-seen note
    cat >lie.py <<'EOF'
import os, random, struct, sys
sys.path.insert(0, os.path.join(sys.argv[1], "tests/readers"))
import bao
how, dice = sys.argv[2], random.Random(7)
note = bytearray(open("note", "rb").read())
count, = struct.unpack_from("<Q", note, 8)
lists, size = struct.unpack_from("<QQ", note, 48)
at = 64 + 80 * count
body = at + 48 * lists
assert count == 9 and lists == 8 and body + size + 32 == len(note), (count, lists, size, len(note))
def spot(i):
    return body + struct.unpack_from("<Q", note, at + 48 * i + 32)[0]
if how == "short": del note[dice.randrange(len(note)):]
if how == "half": del note[len(note) // 2:]
if how == "empty": del note[:]
if how == "bytes": note[dice.randrange(len(note))] ^= 1
if how == "list": note[spot(3) + 40] ^= 1
if how == "swapped":
    a, b = (struct.unpack_from("<QQ", note, at + 48 * i + 32) for i in (1, 5))
    struct.pack_into("<QQ", note, at + 48 + 32, *b)
    struct.pack_into("<QQ", note, at + 48 * 5 + 32, *a)
if how == "ids": note[at:at + 32], note[at + 48:at + 80] = note[at + 48:at + 80], note[at:at + 32]
if how == "far": struct.pack_into("<QQ", note, at + 32, 2**64 - 8, 2**63)
if how == "long": struct.pack_into("<Q", note, at + 40, 2**64 - 1)
if how == "many": struct.pack_into("<Q", note, 48, 2**60)
if how == "rows": struct.pack_into("<Q", note, 8, 2**61 + count)
if how == "level":
    for i in range(count): note[64 + 80 * i + 72] = 8 if note[64 + 80 * i + 72] == 1 else note[64 + 80 * i + 72]
if how == "size": # what stat says is right, but the list is another file's
    rows = [64 + 80 * i for i in range(count) if note[64 + 80 * i + 72] == 1]
    ids = [bytes(note[r + 40:r + 72]) for r in rows]
    for r, other in zip(rows, ids[1:] + ids[:1]): note[r + 40:r + 72] = other
if how not in ("short", "half", "empty", "bytes"): note[-32:] = bao.value(bytes(note[:-32]), 0, bao.ROOT)
open(".out.dxup-seen", "wb").write(note)
EOF
    local how
    for how in short half empty bytes list swapped ids far long many rows level size; do
        python3 -S lie.py "$top" $how || fail "no lie: $how"
        bytes_read "$dxup" pull "$address" t out
        says_log unchanged
        case $how in
            # at least one file's lists are invalid, so it is read, and its bytes match the rest of the note
            list | swapped | ids | far | long | level) [ "$has_read" -gt 1500000 ] || fail "$how: $has_read bytes were read" ;;
            # the others are no valid note, or not one of this directory
            *)
                [ "$has_read" -gt 12000000 ] || fail "$how: $has_read bytes were read"
                says_log " verified"
                grep -q "unchanged since" bytes_read.log && fail "$how: $(cat bytes_read.log)"
                ;;
        esac
        same_tree v out
        # and before an update, which copies chunks and whole files from there
        python3 -S lie.py "$top" $how || fail "no lie: $how"
        printf %s $how | dd of=v/b/f6 bs=1 seek=900000 conv=notrunc status=none
        cp -p v/a/f2 swap
        cp -p v/a/f3 v/a/f2
        cp -p swap v/a/f3
        publish
        "$dxup" pull "$address" t out >first.log 2>&1 </dev/null || "$dxup" pull "$address" t out >>first.log 2>&1 </dev/null ||
            fail "$how: $(cat first.log)"
        same_tree v out
        rm -rf out .out.dxup*
        expect 0 "$dxup" pull "$address" t out
        cp .out.dxup-seen note
    done
}
says_log() { grep -q -- "$1" bytes_read.log || fail "'$1' is not in: $(cat bytes_read.log)"; }
# >>kills
a_killed_pull_goes_on_where_it_was() {
    mkdir v
    for i in $(seq 40); do bytes 250000 >"v/f$i"; done
    publish
    start_server store
    local kept=0
    for after in 0.04 0.07 0.1 0.15; do
        "$dxup" pull "$address" t out >/dev/null 2>&1 </dev/null &
        sleep "$after"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        [ -e out ] && break # it was too fast
        [ -e .out.dxup-sync/objects ] && kept=$(stat -c %s .out.dxup-sync/objects)
    done
    expect 0 "$dxup" pull "$address" t out --report
    same_tree v out
    [ -e .out.dxup-sync ] && fail "what was fetched was left behind"
    # committed data is not sent again; the last 1.5 MiB may not have been committed
    [ "$(get outcome)" = unchanged ] || [ "$(get wire)" -le $((10100000 - kept + 1600000)) ] || fail "kept $kept: $out"
    [ "$(get outcome)" = unchanged ] || [ $kept -lt 1600000 ] || [ "$(get kept)" -ge $((kept - 1600000)) ] || fail "not what was left, $kept: $out"

}
a_killed_pull_of_a_file_goes_on_where_it_was() {
    bytes 24000000 >f
    echo before >before
    cp before file
    expect 0 "$dxup" publish store f f
    start_server store
    local kept=0 round
    for round in 1 2 3 4 5 6 7 8; do
        cmp -s f file && break # it was too fast
        "$dxup" pull "$address" f file --force >/dev/null 2>&1 </dev/null &
        moment 150
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        cmp -s f file || cmp before file || fail "half a file"
        [ -e .file.dxup-sync/objects ] && kept=$(stat -c %s .file.dxup-sync/objects)
    done
    expect 0 "$dxup" pull "$address" f file --force --report
    cmp f file || fail "the file differs"
    [ -z "$(find . -maxdepth 1 -name '*dxup-*')" ] || fail "something was left behind"
    # committed data is not sent again; the last 1.5 MiB may not have been committed
    [ "$(get outcome)" = unchanged ] || [ "$(get wire)" -le $((24200000 - kept + 1600000)) ] || fail "kept $kept: $out"
}
a_killed_update_leaves_old_or_new() {
    sources v 300
    bytes 2000000 >v/random
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    cp -a v old
    local round
    for round in 1 2 3 4 5 6 7 8 9 10; do
        echo "$round" >>v/dir1/file1.c
        bytes 300000 >>v/random
        publish
        "$dxup" pull "$address" t out >/dev/null 2>&1 </dev/null &
        moment 150
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        if diff -r v out >/dev/null; then same_tree v out; else same_tree old out; fi
        expect 0 "$dxup" pull "$address" t out
        same_tree v out
        rm -rf old
        cp -a v old
    done
    [ -z "$(find . -maxdepth 1 -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
a_killed_server_is_waited_for() { # and the pull continues with the server that replaces it
    mkdir v
    for i in $(seq 60); do bytes 250000 >"v/f$i"; done
    publish
    start_server store
    "$dxup" pull "$address" t out >said 2>&1 </dev/null &
    local client=$!
    sleep 0.06
    kill -9 "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    "$dxup" serve store --listen "$address" >"$work/serve.log" 2>&1 </dev/null &
    server=$!
    wait $client
    local status=$?
    case $status in
        0) same_tree v out ;;
        3) [ ! -e out ] || fail "half a directory"
            stop_server # if it is there: the system may not have released the port yet
            start_server store
            expect 0 "$dxup" pull "$address" t out
            same_tree v out ;;
        *) fail "status $status: $(cat said)" ;;
    esac
}
has_fetched() { # BYTES      at least this much is in out's staging directory
    [ "$(stat -c %s .out.dxup-sync/objects 2>/dev/null || echo 0)" -ge "$1" ]
}
a_server_that_ends_is_left() { # requests in progress are answered; the rest comes from its replacement, or with the next pull
    mkdir v
    for i in $(seq 100); do bytes 250000 >"v/f$i"; done
    publish
    local another client status try in_place
    for in_place in yes no; do
        for try in $(seq 40); do # until the signal is neither too early nor too late
            rm -rf out .out.dxup*
            start_server store
            "$dxup" pull "$address" t out >said 2>&1 </dev/null &
            client=$!
            while kill -0 $client 2>/dev/null && ! has_fetched 3000000; do :; done
            sleep "0.0$((try % 5))"
            kill -STOP $client 2>/dev/null
            kill "$server"
            [ -e out ] || ! has_fetched 3000000 || break
            kill -CONT $client 2>/dev/null
            wait $client
            wait "$server"
        done
        another=
        if [ $in_place = yes ]; then
            for i in $(seq 200); do # the listeners of the ending server are closed soon
                "$dxup" serve store --listen "$address" >another.log 2>&1 </dev/null &
                another=$!
                until grep -q "^listening on" another.log; do sleep 0.02; kill -0 $another 2>/dev/null || break; done
                kill -0 $another 2>/dev/null && break
                wait $another
            done
        fi
        kill -CONT $client
        wait $client
        status=$?
        wait "$server" || fail "the server ended with status $?: $(cat "$work/serve.log")"
        server=
        if [ $in_place = yes ]; then
            [ $status = 0 ] || fail "status $status: $(cat said)"
        elif [ $status != 0 ]; then # it may have received everything
            [ $status = 3 ] || fail "status $status: $(cat said)"
            [ ! -e out ] || fail "half a directory"
            grep -q "the next pull resumes" said || fail "$(cat said)"
            start_server store
            expect 0 "$dxup" pull "$address" t out --report
            [ "$(get wire)" -lt 25000000 ] || fail "all was sent again: $out"
        fi
        same_tree v out
        [ -z "$another" ] || { kill $another && wait $another; } || fail "the other one: $(cat another.log)"
    done
}
a_full_disk_leaves_the_old_tree() {
    [ "$(id -u)" = 0 ] || { skip "needs root"; return; }
    sources v 50
    publish
    start_server store
    mkdir "$work/mnt2"
    mount -t tmpfs -o size=6m none "$work/mnt2" 2>/dev/null || { skip "no tmpfs"; return; }
    expect 0 "$dxup" pull "$address" t "$work/mnt2/out"
    cp -a v old
    bytes 8000000 >v/large
    publish
    expect 5 "$dxup" pull "$address" t "$work/mnt2/out"
    same_tree old "$work/mnt2/out"
    rm v/large
    echo less >v/small
    publish
    expect 0 "$dxup" pull "$address" t "$work/mnt2/out"
    same_tree v "$work/mnt2/out"
    umount "$work/mnt2"
}

# >>next to the destination
another_pull_is_at_work() { # it has locked its staging directory: neither that nor its data is touched
    sources v 20
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    cp -a v old
    echo more >>v/dir1/file1.c
    mkdir .out.dxup-part
    echo half >.out.dxup-part/half
    cp -a store .out.dxup-sync
    exec 9<.out.dxup-part
    flock -n 9 || fail "no lock"
    expect 0 "$dxup" pull "$address" t out # there is nothing to do
    publish
    expect 6 "$dxup" pull "$address" t out
    says "another process"
    same_tree old out
    [ -e .out.dxup-part/half ] || fail "the staging directory of another process was removed"
    [ -e .out.dxup-sync/objects ] || fail "what another process has fetched was removed"
    exec 9<&-
    pull_to out 100000
}
pulls_at_once_bring_one_or_the_other() { # some are refused, none is mixed
    sources v 200
    publish
    start_server store
    expect 0 "$dxup" pull "$address" t out
    local round i status
    for round in 1 2 3; do
        for i in $(seq 0 3 199); do echo "$round" >>v/dir$((i % 20))/file$i.c; done
        publish
        local pids=
        for i in 1 2 3 4; do
            "$dxup" pull "$address" t out >"said$i" 2>&1 </dev/null &
            pids="$pids $!"
        done
        for i in $pids; do
            wait "$i"
            status=$?
            case $status in 0 | 6) ;; *) fail "status $status: $(cat said?)" ;; esac
        done
        same_tree v out
        [ "$bad" = 0 ] || return
    done
    [ -z "$(find . -maxdepth 1 -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
what_was_left_is_damaged() { # then everything is fetched again, at once
    sources v 100
    bytes 1000000 >v/random
    publish
    start_server store
    local round
    for round in 1 2 3 4 5; do
        cp -a store .out.dxup-sync
        rm -f .out.dxup-sync/index
        flip_anywhere .out.dxup-sync/objects
        expect 0 "$dxup" pull "$address" t out
        same_tree v out
        [ -e .out.dxup-sync ] && fail "it was left behind"
        rm -rf out .out.dxup
    done
}
a_link_in_place_of_the_store_is_not_followed() {
    sources v 20
    publish
    start_server store
    mkdir other
    echo mine >other/file
    expect 0 "$dxup" publish mine u other
    cp -a mine before
    ln -s mine .out.dxup-sync
    pull_to out 200000
    same mine/objects before/objects
}

# >>servers
start_evil() { # SEED [ends]
    local try
    rm -f evil.log
    "$evil" store t "$@" >evil.log 2>&1 </dev/null &
    server=$!
    for try in $(seq 400); do
        address=$(sed -n 's/^listening on //p' evil.log 2>/dev/null)
        [ -n "$address" ] && break
        sleep 0.02
    done
}
stop_evil() {
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
}
a_server_that_lies() { # in every way of dxup_evil_sync, at several answers
    sources v 400
    bytes 1500000 >v/random
    publish
    cp -a v old
    start_server store
    expect 0 "$dxup" pull "$address" t start
    stop_server
    echo more >>v/dir1/file1.c
    { bytes 700000; cat v/random; } >v/random2
    for i in $(seq 0 5 395); do echo more >>v/dir$((i % 20))/file$i.c; done
    publish
    "$craft" store bomb bomb
    "$craft" store bomb-lies bomb-lies
    local seed lied
    for seed in $(seq 0 $((${LIES:-2} * 21 - 1))); do
        cp -a start out
        cp start/../.start.dxup .out.dxup
        start_evil "$seed"
        "$dxup" pull "$address" t out >said 2>&1 </dev/null
        lied=$?
        case $lied in
            0) same_tree v out ;;
            3 | 4 | 5 | 6) same_tree old out ;;
            *) fail "seed $seed: status $lied: $(cat said)" ;;
        esac
        case $((seed % 21)) in 10 | 14 | 15 | 17 | 18) [ $lied = 0 ] || fail "seed $seed: status $lied: $(cat said)" ;; esac
        case $((seed % 21)) in
            19) grep -q "2147483646 entries, more than --entries-max" said || fail "seed $seed: $(cat said)" ;;
            20) grep -q "malformed: DX_TREE_ESUM" said || fail "seed $seed: $(cat said)" ;;
        esac
        [ "$bad" = 0 ] || { fail "seed $seed: $(cat said)"; return; }
        stop_evil
        rm -rf out .out.dxup .out.dxup-sync
    done
}
connections_that_end() { # of many parallel ones, each ends after some answers, in one of several ways: the others continue, and it is reopened
    local number count try
    sources v 300
    bytes 6000000 >v/random
    publish
    for number in $(seq "${ENDS:-6}"); do
        count=$((16 - number * 5 % 16))
        start_evil "$number" ends
        for try in 1 2 3 4 5 6; do # after three in a row without data a pull ends, and the next one resumes
            timeout 60 "$dxup" pull "$address" t out --connections "$count" >said 2>&1 </dev/null && break
            grep -q "the connection was lost; the next pull resumes here" said && continue
            fail "number $number, $count connections: $(cat said)"
            return
        done
        same_tree v out
        stop_evil
        rm -rf out .out.dxup*
    done
}
a_snapshot_larger_than_it_may_be() { # refused before anything is created, by pull and by checkout; watch: no directory next to DEST
    local case
    for case in bomb bomb-lies large; do "$craft" store $case $case; done
    sources v 60
    publish
    start_server store
    for case in bomb:6 bomb-lies:4 large:6; do
        expect "${case#*:}" timeout 20 "$dxup" pull "$address" "${case%:*}" out
        expect "${case#*:}" timeout 20 "$dxup" checkout store "${case%:*}" out
        [ -z "$(find . -maxdepth 1 -name '*out*' ! -name '.out.dxup' ! -name '.out.dxup-sync')" ] || fail "$case: $(ls -a)"
        rm -rf .out.dxup*
    done
    expect 6 "$dxup" pull "$address" t out --entries-max 79
    says "80 entries, more than --entries-max 79"
    expect 6 "$dxup" checkout store t out --size-max 1000
    says "more than --size-max 1000"
    [ ! -e out ] || fail "it was made"
    local objects=$address
    start_proxy streams
    expect 6 "$dxup" pull "$address" t out --entries-max 79
    says "more than --entries-max 79"
    expect 6 "$dxup" pull "$address" t out --size-max 1000
    says "more than --size-max 1000"
    [ -z "$(find . -maxdepth 1 -name '*out*' ! -name '.out.dxup*')" ] || fail "$(ls -a)"
    expect 0 "$dxup" pull "$address" t streamed --entries-max 80 --size-max 1000000000
    same_tree v streamed
    expect 0 "$dxup" pull "$objects" t out --entries-max 80
    expect 0 "$dxup" checkout store t other --entries-max 80 --size-max 1000000000
    same_tree v out
    same_tree v other
}

# >>containers
# old and new: two .tgz, a .jar and a .tar.xz that have changed, among sources of which a few have.
make_packages() {
    python3 -I -S - <<'END'
import gzip, io, lzma, os, random, sys, tarfile, zipfile
r = random.Random(38)
words = ["alpha", "buffer", "count", "delta", "entry", "fetch", "group", "hash", "index", "join", "kept", "level", "merge", "node"]
def text(lines):
    return "".join("    %s_%d = %s(%s, %d);\n" % (r.choice(words), r.randrange(500), r.choice(words), r.choice(words), r.randrange(10000)) for _ in range(lines)).encode()
def files(count, lines):
    return {"package/lib/part%02d.js" % i: text(r.randrange(lines // 2, lines)) for i in range(count)}
def changed(old):
    new = dict(old)
    for name in sorted(new)[::5]:
        new[name] = new[name].replace(b"alpha", b"ALPHA", 3)
    new["package/CHANGES"] = text(20)
    return new
def tar(content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for name in sorted(content):
            info = tarfile.TarInfo(name)
            info.size = len(content[name])
            t.addfile(info, io.BytesIO(content[name]))
    return out.getvalue()
def tgz(content): return gzip.compress(tar(content), 9, mtime=0)
def jar(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name in sorted(content):
            info = zipfile.ZipInfo(name); info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, content[name])
    return out.getvalue()
def xz(content): return lzma.compress(tar(content), preset=6)
sides = {"old": {}, "new": {}}
for name, pack, count in ("node/a-1.tgz", tgz, 16), ("node/b-2.tgz", tgz, 6), ("lib/c.jar", jar, 16), ("lib/d.tar.xz", xz, 8):
    old = files(count, 600)
    sides["old"][name], sides["new"][name] = pack(old), pack(changed(old))
for i in range(40):
    sides["old"]["src/s%d.c" % i] = sides["new"]["src/s%d.c" % i] = text(100)
for i in range(0, 40, 7): sides["new"]["src/s%d.c" % i] += text(1)
for side in sides:
    for name, content in sides[side].items():
        path = os.path.join(side, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").write(content)
END
    [ -x "$top/build/dxpatch" ] || { skip "no build/dxpatch"; return 1; }
    "$top/build/dxpatch" diff old/node/a-1.tgz new/node/a-1.tgz patch --quiet
    [ "$(head -c 4 patch)" = DXC1 ] || { skip "built without zlib"; return 1; }
    expect 0 "$dxup" publish store t old
    expect 0 "$dxup" publish store t new
}
from_old() { # [OPTION...]      the pull of new over old
    rm -rf out .out*
    expect 0 "$dxup" checkout store t@1 out --quiet
    expect 0 "$dxup" pull "$address" t out --report "$@"
    same_tree new out
}
containers_in_a_tree_are_patched() { # for what the patches of dxpatch cost, and pulls of the files alone; diff says so
    local file sum=0 alone=0 said n
    make_packages || return
    start_server store
    for file in node/a-1.tgz node/b-2.tgz lib/c.jar lib/d.tar.xz; do
        expect 0 "$top/build/dxpatch" diff old/$file new/$file patch --quiet
        sum=$((sum + $(stat -c %s patch)))
        expect 0 "$dxup" publish store "${file##*/}" old/$file
        expect 0 "$dxup" publish store "${file##*/}" new/$file
        cp old/$file file
        rm -f .file*
        expect 0 "$dxup" pull "$address" "${file##*/}" file --report
        alone=$((alone + $(get wire)))
    done
    said=$("$dxup" diff store t@1 t@2 --json | sed -n 's/.*"pull_size":\([0-9]*\).*/\1/p')
    for n in 1 4; do
        from_old --connections $n
        # Lists, requests, and the lines that changed in sources take 4 KB.
        [ "$(get wire)" -le $((sum * 11 / 10 + 4500)) ] || fail "$n connections: $(get wire) bytes, $sum of dxpatch"
        [ "$(get wire)" -le $((alone + 3000)) ] || fail "$n connections: $(get wire) bytes, $alone for the files alone"
        [ $((20 * (said - $(get wire)))) -le "$(get wire)" ] && [ $((20 * ($(get wire) - said))) -le "$(get wire)" ] ||
            fail "$n connections: $(get wire) bytes, $said said"
    done
    echo "     $(get wire) bytes for four containers among sources; $sum by dxpatch, $alone as files"
    local sent=$(get wire)
    rm -rf out .out*
    expect 0 "$dxup" checkout store t@1 out --quiet
    expect 0 "$dxup" pull "$address" t out --dry-run --json
    said=$(echo "$out" | sed -n 's/.*"wire":\([0-9]*\).*/\1/p')
    [ $((20 * (said - sent))) -le "$sent" ] && [ $((20 * (sent - said))) -le "$sent" ] || fail "--dry-run: $said said, $sent sent"
    same_tree old out
    stop_server
    start_server store --patch-max 30000 # the larger two are sent as chunks
    from_old
    [ "$(get wire)" -ge 40000 ] && [ "$(get wire)" -le 115000 ] || fail "--patch-max 30000: $(get wire) bytes"
    stop_server
    for file in 1 2; do # the same old and new file in two places: one patch
        [ $file = 1 ] && cp old/lib/c.jar old/lib/same.jar || cp new/lib/c.jar new/lib/same.jar
        [ $file = 1 ] && expect 0 "$dxup" publish twice t old || expect 0 "$dxup" publish twice t new
    done
    start_server twice
    rm -rf out .out*
    expect 0 "$dxup" checkout twice t@1 out --quiet
    expect 0 "$dxup" pull "$address" t out --report
    same_tree new out
    [ "$(get wire)" -le $((sum * 11 / 10 + 5000)) ] || fail "with a copy: $(get wire) bytes"
}
user_ms() { # COMMAND...      runs it; its processor time outside the kernel, in ms, goes to $ms
    local TIMEFORMAT=%U
    ms=$({ time "$@" >said 2>&1; } 2>&1)
    ms=$((10#${ms/./}))
}
renamed_containers_are_patched() { # as with the same name: in their directory, and in one that is renamed too
    local same n said
    make_packages || return
    start_server store
    from_old
    same=$(get wire)
    stop_server
    mv new/node/a-1.tgz new/node/a-1.0.2-rc1.tgz
    mv new/node/b-2.tgz new/node/b-3.tgz
    mkdir new/lib-1.1 old/lib-1.0
    mv old/lib/* old/lib-1.0
    mv new/lib/c.jar new/lib-1.1
    mv new/lib/d.tar.xz new/lib-1.1/d-2.tar.xz
    rmdir old/lib new/lib
    for n in old new; do expect 0 "$dxup" publish moved t $n; done
    said=$("$dxup" diff moved t@1 t@2 --json | sed -n 's/.*"pull_size":\([0-9]*\).*/\1/p')
    for n in 1 4; do
        start_server moved
        rm -rf out .out*
        expect 0 "$dxup" checkout moved t@1 out --quiet
        expect 0 "$dxup" pull "$address" t out --report --connections $n
        stop_server
        same_tree new out
        [ $((5 * $(get wire))) -le $((6 * same)) ] || fail "$n connections: $(get wire) bytes, $same with the same names"
        [ $((20 * (said - $(get wire)))) -le "$(get wire)" ] && [ $((20 * ($(get wire) - said))) -le "$(get wire)" ] ||
            fail "$n connections: $(get wire) bytes, $said said"
    done
    echo "     $(get wire) bytes for four renamed containers, $same with the same names"
}
names_that_lie() { # of containers that were exchanged or replaced: at most their size is sent
    local all
    make_packages || return
    mv new/node/a-1.tgz new/x
    mv new/node/b-2.tgz new/node/a-3.tgz
    mv new/x new/node/b-3.tgz
    bytes 60000 >new/lib/c-2.jar # no container
    rm new/lib/c.jar
    for all in 1 2 3 4 5 6; do cp new/lib/d.tar.xz new/lib/d-$all.tar.xz && echo $all >>new/lib/d-$all.tar.xz; done
    rm new/lib/d.tar.xz
    for all in old new; do expect 0 "$dxup" publish lies t $all; done
    start_server lies
    rm -rf out .out*
    expect 0 "$dxup" checkout lies t@1 out --quiet
    expect 0 "$dxup" pull "$address" t out --report
    same_tree new out
    all=$(($(stat -c %s new/node/a-3.tgz) + $(stat -c %s new/node/b-3.tgz) + $(stat -c %s new/lib/c-2.jar) + $(stat -c %s new/lib/d-1.tar.xz)))
    [ "$(get wire)" -le $((all + 12000)) ] || fail "$(get wire) bytes, $all in the files"
}
many_renamed_files_cost_no_time() { # and each finds its own among many of the same name but for digits
    local side same ms count=5000
    [ -z "$sanitized" ] || count=1500
    make_packages || return
    mkdir -p v/app-1.0/parts
    python3 -I -S -c '
import random, sys
r = random.Random(5)
for i in range(int(sys.argv[1])): open("v/app-1.0/parts/part%d-1.0.bin" % i, "wb").write(r.randbytes(4200))' $count
    cp old/lib/c.jar v/app-1.0/parts/part700-1.0.bin
    expect 0 "$dxup" publish many t v --quiet
    cp new/lib/c.jar v/app-1.0/parts/part700-1.0.bin
    expect 0 "$dxup" publish many t v --quiet
    mv v/app-1.0 v/app-1.1
    python3 -I -S -c '
import os
os.chdir("v/app-1.1/parts")
for name in os.listdir(): os.rename(name, name.replace("1.0", "1.1"))'
    expect 0 "$dxup" publish many t v --quiet
    start_server many
    for side in 2 3; do
        rm -rf out .out*
        expect 0 "$dxup" checkout many t@1 out --quiet
        user_ms "$dxup" pull "$address" t@$side out --report
        out=$(cat said)
        [ $side = 3 ] || same=$ms
    done
    same_tree v out
    [ "$ms" -le $((2 * same + 300)) ] || fail "$ms ms, $same with the same names"
    # Of each entry the id takes 32 bytes, and the rest 12; the jar would take 160 KB.
    [ "$(get wire)" -le $((45 * count + 20000)) ] || fail "$(get wire) bytes"
    echo "     $ms ms for $count renamed files, $same with the same names; $(get wire) bytes"
}
an_earlier_release() { # on either side: the chunks are sent
    local theirs=$PWD/theirs/dxup ours=$dxup
    local before=2caba8f # the last commit without patches of files
    git -C "$top" cat-file -e $before 2>/dev/null || { skip "no history here"; return; }
    mkdir theirs
    git -C "$top" archive $before programs/{common,containers,versions,dxup} layers {dx_cas,dx_hbtp,dx_patch,dx_reactor,dx_teleport}.h | tar -C theirs -x
    (cd theirs && ${CC:-cc} -std=c11 -O0 -DCONTAINERS_ZLIB -DVERSIONS_ZSTD_LIBRARY programs/{common,containers,versions,versions/*,dxup,dxup/*}/*.c -o dxup -lz -lzstd -lpthread) ||
        { skip "it cannot be built"; return; }
    make_packages || return
    start_server store
    dxup=$theirs
    from_old
    [ "$(get wire)" -ge 80000 ] || fail "an old client: $(get wire) bytes"
    stop_server
    start_server store
    dxup=$ours
    from_old
    [ "$(get wire)" -ge 80000 ] || fail "an old server: $(get wire) bytes"
}
lies_about_packages() { # in every way of dxup_evil_sync: the old directory and an error, or the new one by other means
    local seed got names=(honest none close refuse meddle flip noise short endless large backwards form target early offset transfer replies cut memory)
    make_packages || return
    for seed in $(seq 0 $((${LIES:-1} * 19 - 1))); do
        rm -rf out .out*
        expect 0 "$dxup" checkout store t@1 out --quiet
        start_evil "$seed" wholes out/node/b-2.tgz
        timeout 100 "$dxup" pull "$address" t out --report >said 2>&1 </dev/null
        got=$?
        case $((seed % 19)):$got in
            [0-3]:0 | 5:0 | 16:0 | 18:0) same_tree new out ;; # a bit may have no meaning
            4:6) # the writer's file is still there
                grep -q "changed" said || fail "$(cat said)"
                [ "$(head -c 108 out/node/b-2.tgz | tail -c 8)" = "a writer" ] || fail "the change is lost"
                cp old/node/b-2.tgz out/node && same_tree old out ;;
            [5-9]:[34] | 1?:[34]) same_tree old out
                grep -q "patch\|chunk\|protocol" said || fail "$(cat said)" ;;
            *) fail "status $got" ;;
        esac
        out=$(cat said)
        [ $((seed % 19)) != 18 ] || [ "$(get wire)" -ge 80000 ] || fail "patches that need too much memory were applied"
        stop_evil
        [ "$bad" = 0 ] || { fail "${names[seed % 19]}, seed $seed: status $got: $(cat said)"; return; }
    done
    start_evil 4 wholes out/node/b-2.tgz
    rm -rf out .out*
    expect 0 "$dxup" checkout store t@1 out --quiet
    expect 6 "$dxup" pull "$address" t out --force
    stop_evil
}

for case in a_first_pull_is_compressed one_changed_line_in_a_large_file one_changed_file_of_many what_is_renamed_is_not_sent \
    a_seed_spares_what_it_has a_file_is_sent_as_its_chunks a_file_too_large_for_a_patch_is_sent_as_its_changes a_file_with_zeros_is_sent_as_its_data a_sparse_image_is_sent_as_its_data what_is_fetched_is_compressed_on_disk times_alone_cost_little unchanged_files_are_not_written only_what_has_all_changes_is_replaced what_cannot_be_replaced_alone what_was_left_alone_is_not_read_again a_file_that_changes_unseen_is_not_mixed what_is_verified_is_said what_changes_without_a_trace_is_read chunk_lists_are_kept_with_the_note a_note_that_lies_is_found_out \
    what_moved_is_a_base a_dry_run_changes_nothing a_killed_pull_goes_on_where_it_was a_killed_pull_of_a_file_goes_on_where_it_was a_killed_update_leaves_old_or_new a_killed_server_is_waited_for a_server_that_ends_is_left a_full_disk_leaves_the_old_tree \
    another_pull_is_at_work pulls_at_once_bring_one_or_the_other what_was_left_is_damaged a_link_in_place_of_the_store_is_not_followed \
    a_server_that_lies connections_that_end a_snapshot_larger_than_it_may_be \
    containers_in_a_tree_are_patched renamed_containers_are_patched names_that_lie many_renamed_files_cost_no_time \
    an_earlier_release lies_about_packages; do
    run $case
done
finish
