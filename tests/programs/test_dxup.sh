#!/bin/bash
# dxup end to end: real processes, real files, real sockets, real signals.
# usage: test_dxup.sh [FILTER...]      runs the cases whose name contains one of the filters
#        DXUP=path                     tests that program instead of build/dxup
set -u
cd "$(dirname "$0")/../.." || exit 1
evil=$PWD/build/dxup_evil
. tests/programs/kit.sh

# Chunks are 8 to 128 KiB, 32 on average, cut by content. Where two versions begin to differ, at most one partly known chunk is
# fetched; where they agree again, cuts match within a few chunks.
edge=131072
resync=$((6 * edge))

# >>publish, log, checkout
publish_and_checkout_a_file() {
    make_versions
    expect 0 "$dxup" publish store app old
    says "app@1 published"
    expect 0 "$dxup" publish store app new
    says "app@2 published"
    expect 0 "$dxup" checkout store app@1 out1
    same old out1
    expect 0 "$dxup" checkout store app out2
    same new out2
    expect 0 "$dxup" log store app
    [ "$(echo "$out" | wc -l)" = 2 ] || fail "log: $out"
    says "$(b3sum new 2>/dev/null | cut -c1-64)"
    expect 0 "$dxup" verify store
}
unchanged_content_adds_nothing() {
    make_versions
    expect 0 "$dxup" publish store app old
    before=$(stat -c %s store/objects)
    expect 0 "$dxup" publish store app old
    says "unchanged"
    [ "$(stat -c %s store/objects)" = "$before" ] || fail "the store grew"
    expect 0 "$dxup" publish store other old
    [ $(($(stat -c %s store/objects) - before)) -lt 2000 ] || fail "a second name stored the content again"
}
publish_and_checkout_a_tree() {
    make_tree tree
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" checkout store t copy
    same_tree tree copy
    expect 0 "$dxup" publish store t copy
    says "unchanged"
    expect 6 "$dxup" checkout store t copy
    expect 0 "$dxup" checkout store t copy --force
    same_tree tree copy
    [ -z "$(find . -name '*dxup-part*')" ] || fail "a part was left behind"
}
a_store_is_neither_replaced_nor_published() { # by itself, however it is spelt
    make_tree tree
    bytes 100 >file
    mkdir -p project/deep
    expect 0 "$dxup" publish project/deep/store t tree
    expect 0 "$dxup" publish project/deep/store f file
    ln -s project/deep link
    ln -s ../project/deep/store tree/side
    for there in project project/deep project/deep/store/ link ./project/deep/../deep link/store "$PWD/project"; do
        expect 6 "$dxup" checkout link/store t "$there" --force
        expect 6 "$dxup" publish link/store t "$there"
    done
    for there in project/deep/store/objects link/store/new project/deep/store/lock tree/side/new; do
        expect 6 "$dxup" checkout project/deep/store f "$there" --force
    done
    (cd project/deep && expect 6 "$dxup" checkout store t .. --force && exit $bad) || bad=1
    (cd project/deep/store && expect 6 "$dxup" checkout . t . --force && expect 6 "$dxup" checkout . f objects && exit $bad) || bad=1
    mkdir -p 'outer/odd:/deep' # is no drive
    expect 0 "$dxup" publish 'outer/odd:/deep/store' f file
    expect 6 "$dxup" publish 'outer/odd:/deep/store' t outer
    expect 6 "$dxup" checkout 'outer/odd:/deep/store' f outer --force
    expect 6 "$dxup" publish project/new t project
    [ ! -e project/new ] || fail "a store was made"
    expect 0 "$dxup" verify project/deep/store
    expect 0 "$dxup" checkout project/deep/store t project/out
    expect 0 "$dxup" publish project/deep/store t tree
}
readers_open_a_store_that_is_being_written() { # and collected
    local i
    echo 0 >file
    expect 0 "$dxup" publish store f file
    for i in 1 2; do
        while [ ! -e over ]; do "$dxup" log store f >/dev/null 2>"read$i" || { cat "read$i" >>failures; echo >>failures; }; done &
    done
    for i in $(seq 60); do
        echo $i >file
        expect 0 "$dxup" publish store f file
        [ $((i % 10)) != 0 ] || expect 0 "$dxup" gc store --keep 2
    done
    : >over
    wait
    [ ! -e failures ] || fail "$(cat failures)"
}
an_empty_file_and_an_empty_tree() {
    : >empty
    mkdir none
    expect 0 "$dxup" publish store e empty
    expect 0 "$dxup" publish store n none
    expect 0 "$dxup" checkout store e e
    same empty e
    expect 0 "$dxup" checkout store n n
    [ -d n ] && [ -z "$(ls -A n)" ] || fail "not an empty directory"
    start_server store
    expect 0 "$dxup" pull "$address" e pulled
    same empty pulled
    expect 0 "$dxup" pull "$address" e pulled --report
    [ "$(get outcome)" = unchanged ] || fail "$out"
}
a_file_becomes_a_tree_only_by_hand() {
    make_tree tree
    bytes 100 >file
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" publish store f file
    cp file there
    expect 6 "$dxup" checkout store t there
    same file there
    mkdir dir
    expect 6 "$dxup" checkout store f dir
    [ -d dir ] || fail "the directory is gone"
}

# >>usage and missing things
bad_command_lines() {
    bytes 10 >f
    expect 1 "$dxup"
    says "Exit status"
    expect 1 "$dxup" frobnicate
    says "no command 'frobnicate'"
    expect 1 "$dxup" publish store
    expect 1 "$dxup" publish store a f extra
    expect 1 "$dxup" publish store "" f
    expect 1 "$dxup" publish store a@3 f
    expect 1 "$dxup" serve store
    says "needs --listen"
    expect 1 "$dxup" serve store --listen nonsense
    expect 1 "$dxup" serve store --workers 0
    expect 1 "$dxup" serve store --connections 0
    expect 1 "$dxup" gc store --keep -1
    expect 1 "$dxup" gc store --keep 0
    expect 1 "$dxup" serve store --listen 127.0.0.1:0 --backend select
    says "io_uring"
    expect 1 "$dxup" log store --unknown
    expect 0 "$dxup" help
    [ ! -e store ] || fail "a refused command made a store"
    mkdir folder
    expect 2 "$dxup" log folder
    says "folder is not a store"
    expect 0 "$dxup" publish store a f
    expect 2 "$dxup" checkout store a nowhere/f
    says "its parent directory does not exist"
}
options_that_a_command_does_not_know() {
    bytes 10 >f
    expect 0 "$dxup" publish store a f
    cp -a store before
    no() { # OPTION COMMAND ARGUMENTS...
        expect 1 "$dxup" "${@:2}"
        says "$2 has no option $1"
    }
    no --pack publish store a f --pack
    no --keep publish store a f --keep 1
    no --quiet log store --quiet
    no --force log store --force
    no --report checkout store a out --report
    no --workers verify store --workers 2
    no --workers gc store --workers 2
    no --force gc store --force
    no --keep serve store --listen 127.0.0.1:0 --keep 1
    no --quiet serve store --listen 127.0.0.1:0 --quiet
    no --pack pull 127.0.0.1:1 a out --pack
    no --http pull 127.0.0.1:1 a out --http 127.0.0.1:0
    no --workers pull 127.0.0.1:1 a out --workers 2
    [ ! -e out ] || fail "something was written"
    diff -r store before || fail "the store changed"
}
missing_things() {
    bytes 10 >f
    expect 2 "$dxup" log store
    expect 2 "$dxup" publish store a nofile
    [ ! -e store ] || fail "a refused command made a store"
    expect 0 "$dxup" publish store a f
    expect 2 "$dxup" checkout store b out
    expect 2 "$dxup" checkout store a@7 out
    expect 2 "$dxup" log store b
    expect 2 "$dxup" serve nostore --listen 127.0.0.1:0
    expect 2 "$dxup" verify f
    [ ! -e out ] || fail "something was written"
}
a_name_of_another_kind() { # most often the wrong path
    bytes 1000 >f
    mkdir -p t/sub && bytes 1000 >t/sub/x
    expect 0 "$dxup" publish store file f
    expect 0 "$dxup" publish store tree t
    for i in '' --dry-run --quiet; do
        expect 6 "$dxup" publish store file t $i
        says "t is a directory, and file@1 is a file: give another name or another path"
        expect 6 "$dxup" publish store tree f $i
        says "f is a file, and tree@1 is a directory"
    done
    expect 0 "$dxup" log store tree
    case $out in *tree@2*) fail "a refused publish added a version: $out" ;; esac
    expect 0 "$dxup" verify store
    expect 0 "$dxup" publish store tree f --force
    expect 0 "$dxup" publish store file t --force
    expect 0 "$dxup" checkout store tree a
    expect 0 "$dxup" checkout store file b
    same f a
    same_tree t b
    expect 6 "$dxup" publish store tree t # the latest one counts
}

# >>pull
pull_full_patch_unchanged() {
    make_versions
    expect 0 "$dxup" publish store app old
    expect 0 "$dxup" publish store app new
    for backend in epoll io_uring; do
        start_server store --backend $backend --workers 2
        rm -f a b
        expect 0 "$dxup" pull "$address" app a --report --backend $backend
        [ "$(get outcome)" = full ] || fail "$out"
        same new a
        cp old b
        expect 0 "$dxup" pull "$address" app b --report --backend $backend
        [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 3000 ] || fail "$out"
        same new b
        expect 0 "$dxup" pull "$address" app b --report --backend $backend
        [ "$(get outcome)" = unchanged ] && [ "$(get wire)" -lt 400 ] || fail "$out"
        stop_server
        [ "$server_status" = 0 ] || fail "the server ended with status $server_status"
    done
}
pull_a_tree() {
    make_tree v1
    cp -a v1 v2
    bytes 20 >>v2/data
    rm v2/sub/nothing
    echo new >v2/added
    expect 0 "$dxup" publish store t v1
    start_server store
    expect 0 "$dxup" pull "$address" t here --report
    [ "$(get outcome)" = full ] || fail "$out"
    same_tree v1 here
    expect 0 "$dxup" publish store t v2
    expect 0 "$dxup" pull "$address" t here --report
    [ "$(get outcome)" = patch ] || fail "$out"
    same_tree v2 here
    expect 0 "$dxup" pull "$address" t here --report
    [ "$(get outcome)" = unchanged ] || fail "$out"
    echo mine >here/precious
    expect 6 "$dxup" pull "$address" t here
    says "changed locally"
    [ "$(cat here/precious)" = mine ] || fail "a local file was lost"
    expect 0 "$dxup" pull "$address" t here --force
    same_tree v2 here
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
pull_sees_what_is_published_meanwhile() {
    make_versions
    expect 0 "$dxup" publish store app old
    start_server store
    expect 0 "$dxup" pull "$address" app a
    expect 0 "$dxup" publish store app new
    expect 0 "$dxup" pull "$address" app a --report
    [ "$(get outcome)" = patch ] || fail "$out"
    same new a
}
a_file_that_was_changed_is_not_replaced() { # nor one that no pull made: as a directory; with --force, and if nothing is lost
    local size options
    make_versions
    for size in small large; do
        [ $size = small ] || bytes 5000000 >old # it can be resumed, and has no patch from the existing file
        expect 0 "$dxup" publish store $size old
        start_server store
        for options in "" "--connections 2"; do
            rm -rf a .a.dxup*
            expect 0 "$dxup" pull "$address" $size a $options
            echo mine >>a
            cp a mine
            expect 6 "$dxup" pull "$address" $size a $options
            says "a was changed locally"
            says "use --force to replace it"
            says "move it away to keep it"
            same mine a
            expect 0 "$dxup" pull "$address" $size a --force $options
            same old a
        done
        rm -f .b.dxup*
        bytes 1000 >b
        cp b mine
        expect 6 "$dxup" pull "$address" $size b
        says "b was changed locally"
        same mine b
        [ -z "$(find . -name '.b.dxup*')" ] || fail "left behind: $(find . -name '.b.dxup*')"
        expect 0 "$dxup" pull "$address" $size b --force --report
        [ "$(get outcome)" = full ] || fail "$out"
        same old b
        : >b # has nothing to lose
        rm .b.dxup
        expect 0 "$dxup" pull "$address" $size b
        same old b
        stop_server
    done
}
what_the_last_pull_left_is_no_change() { # also if the server has forgotten that version, for a file and for a tree
    mkdir tree
    bytes 3000 >f
    bytes 2000 >tree/f
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" tag store f stable
    expect 0 "$dxup" tag store t stable
    start_server store
    expect 0 "$dxup" pull "$address" f a
    expect 0 "$dxup" pull "$address" t b
    expect 0 "$dxup" pull "$address" f@stable c
    expect 0 "$dxup" pull "$address" t@stable d
    stop_server
    bytes 3000 >f
    bytes 2000 >tree/f
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" gc store --keep 1
    start_server store
    expect 0 "$dxup" pull "$address" f a
    same f a
    expect 0 "$dxup" pull "$address" t b
    same_tree tree b
    expect 0 "$dxup" pull "$address" f c
    same f c
    expect 0 "$dxup" pull "$address" t d
    same_tree tree d
}
a_command_runs_after_a_change() { # and only then; details are passed in variables
    local name kind
    echo 1 >f
    mkdir t
    for kind in f t; do
        [ $kind = f ] || echo 1 >t/f
        rm -f ran
        say='echo "$DXUP_NAME,$DXUP_FROM,$DXUP_TO,$DXUP_PATH" >>ran'
        expect 0 "$dxup" publish store $kind $kind
        start_server store
        expect 0 "$dxup" pull "$address" $kind "a $kind" --exec "$say; echo told"
        says "told"
        expect 0 "$dxup" pull "$address" $kind "a $kind" --exec "$say"
        [ $kind = f ] && echo 2 >f || echo 2 >t/f
        expect 0 "$dxup" publish store $kind $kind
        expect 0 "$dxup" pull "$address" $kind "a $kind" --exec "$say" --quiet
        [ "$(cat ran)" = "$kind,,1,a $kind
$kind,1,2,a $kind" ] || fail "$(cat ran)"
        expect 0 "$dxup" pull "$address" $kind@1 "a $kind" --exec "$say"
        [ "$(tail -1 ran)" = "$kind,2,1,a $kind" ] || fail "$(cat ran)"
        expect 8 "$dxup" pull "$address" $kind "a $kind" --exec "exit 3"
        says "a $kind is updated; --exec failed with status 3: exit 3"
        diff -r $kind "a $kind" || fail "another content"
        expect 8 "$dxup" pull "$address" $kind@1 "a $kind" --exec 'kill -9 $$'
        says "killed by signal 9"
        expect 0 "$dxup" pull "$address" $kind "a $kind" --exec "'$dxup' pull $address $kind 'a $kind' --quiet" # nothing is locked
        stop_server
    done
    name='$(touch made)`touch made`;touch made'
    expect 0 "$dxup" publish store "$name" f
    start_server store
    expect 0 "$dxup" pull "$address" "$name" b --exec 'echo "$DXUP_NAME"'
    says "$name"
    [ ! -e made ] || fail "a name was run"
    expect 2 "$dxup" pull "$address" nothing c --exec 'touch made'
    [ ! -e made ] || fail "it ran after a failure"
}
a_pull_takes_its_time() { # --limit-rate: objects, a patch that is sent as is, ranges
    bytes 200000 >f
    bytes 4300000 >large
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" publish store large large
    start_server store
    for how in "f 400000" "large 8000000 --connections 2" "f@1 400000 --connections 2"; do
        set -- $how
        rm -f a
        expect 0 "$dxup" pull "$address" $1 a --limit-rate ${*:2} --report
        same ${1%@1} a
        at=$(get ms)
        [ "${at%.*}" -ge 300 ] && [ "${at%.*}" -lt 5000 ] || fail "$how: $(get ms) ms"
    done
    expect 1 "$dxup" pull "$address" f a --limit-rate 9
}
watch_follows_a_server() { # also one that is away for a while; a signal ends it
    local v
    has() { # LINES
        local i
        for i in $(seq 400); do
            [ "$(wc -l 2>/dev/null <ran)" -ge "$1" ] 2>/dev/null && return
            kill -0 $watcher 2>/dev/null || break
            sleep 0.02
        done
        fail "not $1 changes: $(cat ran watched)"
    }
    echo 1 >f
    expect 0 "$dxup" publish store f f
    start_server store
    "$dxup" watch "$address" f a --interval 1 --exec 'echo "$DXUP_FROM $DXUP_TO" >>ran' >watched 2>&1 &
    watcher=$!
    has 1
    echo 2 >f
    expect 0 "$dxup" publish store f f
    has 2
    same f a
    kill "$server"
    wait "$server"
    echo 3 >f
    expect 0 "$dxup" publish store f f
    sleep 1.2
    "$dxup" serve store --listen "$address" >"$work/serve.log" 2>&1 &
    server=$!
    has 3
    same f a
    [ "$(cat ran)" = " 1
1 2
2 3" ] || fail "$(cat ran)"
    kill $watcher
    wait $watcher
    v=$?
    [ $v = 143 ] || fail "ended with status $v"
    [ "$(grep -c '^f@' watched)" = 3 ] || fail "not three summaries: $(cat watched)"
    [ "$(find . -name '.a.dxup*')" = ./.a.dxup ] || fail "left behind: $(find . -name '.a.dxup*')"
    expect 1 "$dxup" watch "$address" f a --interval 0
    expect 1 "$dxup" watch nonsense f a
}
many_clients_at_once() {
    make_versions
    expect 0 "$dxup" publish store app old
    expect 0 "$dxup" publish store app new
    start_server store --workers 2
    for i in $(seq 24); do
        [ $((i % 2)) = 0 ] && cp old "c$i"
        "$dxup" pull "$address" app "c$i" --quiet 2>>errors &
        pids="${pids:-} $!"
    done
    for p in $pids; do wait "$p" || fail "a pull failed: $(cat errors)"; done
    for i in $(seq 24); do same new "c$i"; done
}
modes_are_kept() {
    bytes 100 >f
    chmod 750 f
    expect 0 "$dxup" publish store f f
    start_server store
    expect 0 "$dxup" pull "$address" f g
    [ "$(stat -c %a g)" = 750 ] || fail "mode $(stat -c %a g)"
    chmod 640 f
    expect 0 "$dxup" publish store f f
    says "f@2"
    expect 0 "$dxup" pull "$address" f g --report
    [ "$(get outcome)" = unchanged ] && [ "$(stat -c %a g)" = 640 ] || fail "mode $(stat -c %a g): $out"
}
a_link_stays_a_link() {
    make_versions
    expect 0 "$dxup" publish store app old
    expect 0 "$dxup" publish store app new
    mkdir real
    cp old real/a
    ln -s real/a link
    start_server store
    expect 0 "$dxup" pull "$address" app link
    [ -L link ] || fail "the link was replaced"
    same new real/a
}
a_dangling_link_is_not_replaced() {
    make_versions
    make_tree tree
    expect 0 "$dxup" publish store app new
    expect 0 "$dxup" publish store dir tree
    mkdir real
    ln -s real/later link
    start_server store
    for version in app dir; do
        for force in "" --force; do
            expect 6 "$dxup" pull "$address" $version link $force
            says "symbolic link"
            expect 6 "$dxup" checkout store $version link $force
            says "symbolic link"
        done
    done
    [ "$(readlink link)" = real/later ] || fail "the link was replaced"
    [ -z "$(ls -A real)" ] && [ -z "$(ls -A | grep '^\.')" ] || fail "left: $(ls -A . real)"
    mkdir real/later
    expect 0 "$dxup" checkout store dir link --force
    [ -L link ] || fail "the link was replaced"
    same_tree tree real/later
}
large_versions_are_patched_by_chunks() {
    bytes 8000000 >old
    { bytes 100; head -c 3000000 old; echo "inserted here"; tail -c 4000000 old; head -c 500000 old; bytes 777; } >new
    bytes 2000000 >other
    expect 0 "$dxup" publish store app old
    expect 0 "$dxup" publish store app new
    start_server store --patch-max 1000000
    cp old a
    expect 0 "$dxup" pull "$address" app a --report
    # At the beginning, after the insertion, where the tail begins and where the head begins again; and the end.
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt $((4 * (edge + resync) + edge + 20000)) ] || fail "$out"
    same new a
    expect 0 "$dxup" publish store app other # nothing in common
    expect 0 "$dxup" pull "$address" app a --report
    [ "$(get outcome)" = full ] || fail "$out"
    same other a
    head -c 1500000 old >half # a version that is a part of another, both ways
    expect 0 "$dxup" publish store part half
    expect 0 "$dxup" publish store part old
    cp half b
    expect 0 "$dxup" pull "$address" part b --report
    [ "$(get outcome)" = patch ] || fail "$out"
    same old b
    expect 0 "$dxup" publish store part half
    expect 0 "$dxup" pull "$address" part b --report
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 300000 ] || fail "$out"
    same half b
}
a_gigabyte_in_64_megabytes() {
    bytes 1073741824 >big
    expect 0 "$dxup" publish store big big
    start_server store
    expect 0 "$dxup" pull "$address" big out --report
    same big out
    small_memory full
    printf 'one place' | dd of=big bs=1 seek=500000000 conv=notrunc status=none
    expect 0 "$dxup" publish store big big
    expect 0 "$dxup" pull "$address" big out --report
    same big out
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 4000000 ] || fail "$out"
    small_memory patch
}
making_a_patch_takes_little_memory() { # the versions, and what their members unpack to, are in files without a name
    [ -r /proc/self/status ] || { skip "no /proc"; return; }
    local most limit sampler size
    mkdir temporary
    { bytes 9000000; seq 1000000 1700000; seq 9000000 | head -c 8000000 | gzip -1; } >f
    expect 0 "$dxup" publish store f f
    { seq 1000000 1700000 | sed '1~3000s/1/changed/'; seq 5 9000000 | head -c 8000000 | gzip -1; head -c 9000000 f; } >new # nothing stays
    expect 0 "$dxup" publish store f new
    size=$(stat -c %s f)
    TMPDIR=$PWD/temporary start_server store
    while sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$server/status; do sleep 0.01; done >samples 2>/dev/null &
    sampler=$!
    cp new file
    expect 0 "$dxup" pull "$address" f@1 file --report
    [ -z "$(ls -A temporary)" ] || fail "left behind: $(ls temporary)"
    stop_server
    wait $sampler
    same f file
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 100000 ] || fail "$out"
    most=$(sort -n samples | tail -1)
    limit=$((size / 1024 + 36000)) # of that 24 MB for the search
    [ "${most:-$limit}" -lt $limit ] || fail "the server had $most KB allocated, at most $limit"
    # Without a place for files they are held in memory.
    TMPDIR=$PWD/nothing start_server store
    expect 0 "$dxup" pull "$address" f file --report
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 100000 ] || fail "no temporary directory: $out"
}
small_memory() { # WHAT
    local rss
    [ "$(get rss_kb)" -lt 65536 ] || fail "client: $(get rss_kb) KB resident"
    rss=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$server/status)
    [ "$rss" -lt 65536 ] || fail "server: $rss KB resident"
    echo "     1 GiB, $1: client $(get rss_kb) KB, server $rss KB resident, $(get wire) bytes, $(get ms) ms"
}
dxup_sources=("$top"/programs/{common,containers,versions,versions/*,sync,dxup,dxup/*}/*.c)
exchange() { # QEMU-ARCH COMPILER...      a machine of another kind: its store, its client and its server, with ours
    local qemu=
    if [ "$1" != native ]; then
        qemu=$(command -v "qemu-$1-static" || command -v "qemu-$1") || { skip "no emulator for $1"; return; }
    fi
    command -v "$2" >/dev/null && echo 'int main(void) { return 0; }' | "${@:2}" -x c - -o probe 2>/dev/null ||
        { skip "no compiler: ${*:2}"; return; }
    make_versions
    expect 0 "${@:2}" -std=c11 -O1 -static "${dxup_sources[@]}" -o theirs -lpthread
    printf '#!/bin/sh\nexec %s "%s/theirs" "$@"\n' "$qemu" "$PWD" >other
    chmod +x other
    expect 0 "$dxup" publish store app old # zstd does not make it smaller: theirs has no zstd
    expect 0 ./other publish store app new # as a delta of the old one, by dx_patch
    expect 0 "$dxup" verify store
    expect 0 ./other verify store
    wires=
    for pair in "$dxup ./other" "./other $dxup"; do
        set -- $pair "$qemu" # server, client
        dxup=$1 start_server store
        [ "$1" = "$dxup" ] || [ -z "$qemu" ] || says_file "$work/serve.log" epoll # the emulator has no io_uring
        rm -f a
        expect 0 "$2" pull "$address" app a --report
        same new a
        wires="$wires $(get wire)"
        cp old b
        expect 0 "$2" pull "$address" app b --report
        [ "$(get outcome)" = patch ] || fail "$out"
        same new b
        wires="$wires $(get wire)"
        stop_server
    done
    set -- $wires - - - - # the failed one said why
    [ "$1 $2" = "$3 $4" ] || fail "the same pulls took $1 and $2, then $3 and $4 bytes"
    [ "$bad" != 0 ] || echo "     one store written by both; full $1 and patch $2 bytes, pulled both ways, verified"
}
a_big_endian_machine() { exchange s390x s390x-linux-gnu-gcc; }
a_big_endian_machine_of_32_bits() { exchange mips mips-linux-gnu-gcc; }
an_arm_of_32_bits() { exchange arm arm-linux-gnueabihf-gcc; }
a_pc_of_32_bits() { exchange native gcc -m32 -D_FILE_OFFSET_BITS=64 -idirafter "/usr/include/$(uname -m)-linux-gnu"; }

# >>trees
same_times() {
    [ "$(cd "$1" && find . -printf '%P %T@\n' | sort)" = "$(cd "$2" && find . -printf '%P %T@\n' | sort)" ] ||
        { echo "     ${BASH_LINENO[0]}: times of $1 and $2 differ"; bad=1; }
}
grown() { # BYTES      by how much the store grew since the last time
    local size
    size=$(stat -c %s store/objects)
    [ $((size - ${was:-0})) -le "$1" ] || { echo "     ${BASH_LINENO[0]}: the store grew by $((size - was)), not up to $1"; bad=1; }
    was=$size
}
make_many() { # DIR      10,000 files in 100 directories
    local i
    for i in $(seq 0 99); do
        mkdir -p "$1/dir$i"
        for j in $(seq 0 99); do echo "file $j of directory $i says a little more than nothing" >"$1/dir$i/file$j"; done
    done
}
a_tree_is_read_once() {
    make_many tree
    sleep 2.1 # younger files might change within the same time stamp
    expect 0 "$dxup" publish store t tree
    says "10,000 of 10,000 files were read"
    was=$(stat -c %s store/objects)
    expect 0 "$dxup" publish store t tree
    says "unchanged"
    says "0 of 10,000 files were read"
    grown 0
    echo "one more line" >>tree/dir50/file50
    touch -d '+1 day' tree/dir50/file50 # too young to be trusted, however long all this takes
    expect 0 "$dxup" publish store t tree
    says "t@2 published"
    says "; 1 of 10,000 files were read"
    grown 8000
    mv tree/dir7 tree/renamed
    expect 0 "$dxup" publish store t tree
    says "; 1 of 10,000 files were read" # the one that was too young
    grown 6000
    touch -d 2001-02-03 tree/dir9/file9
    printf 'FILE 9 OF DIRECTORY 9 SAYS A LITTLE MORE THAN NOTHING\n' >tree/dir9/file9 # the same number of bytes
    touch -d 2001-02-03 tree/dir9/file9
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" checkout store t out
    same_tree tree out
    same_times tree out
    expect 0 "$dxup" checkout store t@1 out1
    [ "$(cat out1/dir9/file9)" != "$(cat out/dir9/file9)" ] && [ -d out1/dir7 ] || fail "version 1 is another now"
    expect 0 "$dxup" gc store --keep 2
    expect 0 "$dxup" verify store
    expect 2 "$dxup" checkout store t@1 out2
    expect 0 "$dxup" checkout store t@3 out3
    [ -d out3/renamed ] || fail "version 3 is another now"
    expect 0 "$dxup" publish store t tree
    says "unchanged"
}
a_tree_is_looked_at_on_all_cores() { # blocks of names, directories side by side and nested, few descriptors
    local i name
    mkdir -p tree/large tree/deep$(printf '/d%.0s' $(seq 60)) tree/empty
    for i in $(seq 1000); do echo "$i" >tree/large/$i; done
    for i in $(seq 200); do mkdir tree/dir$i; echo "$i" >tree/dir$i/file; ln -s file tree/dir$i/link; done
    for i in 1 2 8; do
        expect 0 "$dxup" publish store t tree --workers $i
        case $i in 1) says "t@1 published" ;; *) says "t@1 is unchanged" ;; esac
    done
    expect 0 bash -c "ulimit -n 100; '$dxup' publish store t tree --workers 8" # 61 for the deepest, few prefetched
    says "t@1 is unchanged"
    expect 0 "$dxup" checkout store t out --workers 2
    same_tree tree out
    same_times tree out
    name=$(printf 'n%.0s' $(seq 250))
    (cd tree/dir150 && for i in $(seq 17); do mkdir $name && cd $name || exit; done)
    for i in 1 2 8; do
        expect 6 "$dxup" publish store t tree --workers $i
        says "dir150/nnn"
        says "the path has more than 4095 bytes"
    done
    rm -r tree/dir150/nnn*
    expect 0 "$dxup" publish store t tree --workers 8
    says "t@2 published" # one directory's time changed
}
what_was_seen_is_only_a_hint() {
    make_tree tree
    bytes 3000000 >tree/large
    mkdir other
    cp -r tree other/tree
    sleep 2.1
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" publish store o other
    seen=$(echo store/seen-*)
    seen=${seen%% *}
    cp "$seen" good
    size=$(stat -c %s good)
    for i in $(seq 25); do
        cp good "$seen"
        flip_anywhere "$seen"
        expect 0 "$dxup" publish store t tree
        says "unchanged"
    done
    for n in 0 1 15 47 48 $((size - 80)) $((size - 1)); do
        head -c $n good >"$seen"
        expect 0 "$dxup" publish store t tree
        says "unchanged"
    done
    rm "$seen"
    mkdir "$seen"
    expect 0 "$dxup" publish store t tree
    says "unchanged"
    rmdir "$seen"
    cp good "$seen"
    rm store/objects store/index # the hint belongs to another store
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" checkout store t out
    same_tree tree out
}
trees_of_every_shape() {
    local i long deep=tree
    mkdir tree
    long=$(printf 'n%.0s' $(seq 255))
    : >"tree/$(printf 'a new\nline')"
    echo x >"tree/$(printf 'not \xff\xfe UTF-8')"
    echo x >"tree/$long"
    echo x >"tree/-rf"
    echo x >"tree/ "
    echo x >"tree/..."
    ln -s "$(printf 'no\nwhere')" tree/link
    for i in 0 1 31 32 33 8191 8192 8193 131071 131072 131073 393216 1000000; do bytes $i >tree/size$i; done
    head -c 5000000 /dev/zero >tree/zeros
    for i in $(seq 250); do deep=$deep/$((i % 10)); done
    mkdir -p "$deep"
    echo deep >"$deep/down"
    ln -s down "$deep/link"
    mkdir tree/large
    for i in $(seq 3000); do echo $i >"tree/large/$i"; done
    chmod 500 tree/large
    touch -d '1969-07-20 20:17:40.123456789' tree/size1 tree/link
    touch -h -d '2100-01-01' tree/link
    touch -d '1999-12-31' tree/large tree
    for workers in 1 2 5; do
        rm -rf store .a.dxup .b.dxup b
        expect 0 "$dxup" publish store t tree --workers $workers
        expect 0 "$dxup" checkout store t out$workers --workers $workers
        same_tree tree out$workers
        same_times tree out$workers
        roots="${roots:-} $("$dxup" log store t | sed 's/.* //')"
    done
    [ "$(echo $roots | tr ' ' '\n' | sort -u | wc -l)" = 1 ] || fail "one tree, many ids: $roots"
    expect 0 "$dxup" verify store
    start_server store
    expect 0 "$dxup" pull "$address" t pulled
    same_tree tree pulled
    rm "$deep/down" "tree/$long"
    bytes 500 >>tree/size1000000
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" pull "$address" t pulled --report
    [ "$(get outcome)" = patch ] || fail "$out"
    same_tree tree pulled
    stop_server
    start_server store --patch-max 1000
    bytes 500 >>tree/size1000000
    mv tree/large tree/renamed
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" pull "$address" t pulled --report
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -lt 400000 ] || fail "$out"
    same_tree tree pulled
}
trees_that_cannot_be_published() {
    local i deep=deep
    make_tree tree
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("tree/sub/socket")'
    expect 0 "$dxup" publish store t tree
    says "not kept: sockets (1; the first is sub/socket)"
    for i in $(seq 257); do deep=$deep/1; done
    mkdir -p $deep
    expect 6 "$dxup" publish store t deep
    says "or 256 directories"
    i=$(printf 'n%.0s' $(seq 250))
    mkdir wide
    (cd wide && for j in $(seq 17); do mkdir $i && cd $i || exit; done)
    expect 6 "$dxup" publish store t wide
    says "the path has more than 4095 bytes"
    if [ "$(id -u)" != 0 ]; then user=; else user="setpriv --reuid=65534 --clear-groups"; fi
    if [ -z "$user" ] || $user true 2>/dev/null; then
        chmod 711 "$work"
        chmod 777 .
        chmod 644 tree/data
        chmod 000 tree/sub/a.c
        expect 5 $user "$dxup" publish theirs t tree
        says "dxup: sub/a.c: Permission denied"
        says "nothing was published; --exclude '/sub/a.c' publishes without it"
        [ ! -e theirs ] || fail "a store without a version: $(ls theirs)"
        expect 0 $user "$dxup" publish theirs t tree --exclude /sub/a.c
        mkdir -m 700 'tree/odd[*]\name'
        expect 5 $user "$dxup" publish theirs t tree --exclude /sub/a.c
        says "--exclude '/odd[\*]\\\\name' publishes without it"
        expect 0 $user "$dxup" publish theirs t tree --exclude /sub/a.c --exclude '/odd[\*]\\name' --exclude /other
        rmdir 'tree/odd[*]\name'
        [ "$("$dxup" ls theirs t | wc -l)" = 2 ] || fail "not two versions: $("$dxup" ls theirs t)"
        chmod 755 tree/sub/a.c
        chmod 600 tree/data
    fi
    bytes 30000000 >tree/growing
    while :; do echo more >>tree/growing; done &
    writer=$!
    cp -a store before
    for i in $(seq 50); do # on a busy machine the writer may pause just then
        rm -rf store .a.dxup .b.dxup b
        cp -a before store
        out=$("$dxup" publish store t tree 2>&1 </dev/null)
        got=$?
        [ $got = 0 ] || break
    done
    [ $got = 6 ] || fail "status $got instead of 6"
    says "growing changed while it was read"
    kill $writer
    wait $writer 2>/dev/null
    expect 0 "$dxup" verify store
    [ "$("$dxup" log store t | wc -l)" = 1 ] || fail "a version was made"
    rm tree/sub/socket
    expect 0 "$dxup" publish store t tree
    expect 0 "$dxup" checkout store t out
    same_tree tree out
}
a_first_publish_that_fails_leaves_no_store() { # nor its files in an empty directory; an existing store stays
    local deep=deep i
    for i in $(seq 257); do deep=$deep/1; done
    mkdir -p $deep empty
    echo a >f
    expect 6 "$dxup" publish new t deep
    [ ! -e new ] || fail "left: $(ls -A new)"
    expect 6 "$dxup" publish empty t deep
    [ -d empty ] && [ -z "$(ls -A empty)" ] || fail "left: $(ls -A empty)"
    expect 0 "$dxup" publish store f f
    expect 6 "$dxup" publish store t deep
    expect 0 "$dxup" rm store f # a store without a version, made by another publish
    expect 6 "$dxup" publish store t deep
    expect 0 "$dxup" log store
    for i in $(seq 8); do # the first of them fails: no other loses its store
        "$dxup" publish raced bad deep >/dev/null 2>&1 &
        "$dxup" publish raced good f >good.log 2>&1
        i=$?
        wait $!
        [ $i != 0 ] || "$dxup" verify raced >/dev/null 2>&1 || fail "published into a store that is gone"
        rm -rf raced
    done
}
a_store_is_not_pulled_over() { # not even with --force, if the server did not send it
    mkdir tree
    echo a >tree/a
    echo f >f
    expect 0 "$dxup" publish store tree tree
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" publish mine f f
    expect 0 "$dxup" publish backup of mine
    cp -a mine before
    start_server store
    for force in "" --force; do
        expect 6 "$dxup" pull "$address" tree mine $force
        expect 6 "$dxup" pull "$address" f mine/objects $force
    done
    says "mine/objects is in a store of dxup, which not even --force replaces"
    expect 6 "$dxup" pull "$address" tree mine/ --force
    says "mine/ is a store of dxup, which not even --force replaces"
    diff -r mine before || fail "the store was changed"
    stop_server
    start_server backup # a copy of a store is a tree like any other
    expect 0 "$dxup" pull "$address" of copy
    expect 0 "$dxup" verify copy
    echo g >f
    expect 0 "$dxup" publish mine f f
    expect 0 "$dxup" publish backup of mine
    expect 0 "$dxup" pull "$address" of copy
    diff -r mine copy || fail "the copy is another"
}
links_swapped_in_while_a_tree_is_restored() {
    local i d
    mkdir victim
    for i in $(seq 200); do mkdir -p tree/d$i/e && echo $i >tree/d$i/e/file && echo $i >tree/d$i/file; done
    expect 0 "$dxup" publish store t tree
    while [ ! -e enough ]; do
        for d in .out.dxup-part/d*[0-9]; do
            [ -d "$d" ] && [ ! -L "$d" ] && mv -T "$d" "$d.moved" && ln -snT ../victim "$d"
        done
        for d in .out.dxup-part/d*/e; do rmdir "$d" 2>/dev/null && ln -snT ../../victim "$d"; done
    done 2>/dev/null &
    attacker=$!
    for i in $(seq 8); do
        "$dxup" checkout store t out --force --quiet >log 2>&1
        got=$?
        case $got in 0 | 2 | 5 | 6) ;; *) fail "status $got: $(cat log)" ;; esac # 6: detected, and kept
    done
    : >enough # a kill would leave a command that still runs
    wait $attacker
    [ -z "$(ls -A victim)" ] || fail "something was written outside: $(ls -A victim | head)"
    rm -rf out .out*
    expect 0 "$dxup" checkout store t out
    same_tree tree out
}
a_tree_publish_killed_at_any_moment() {
    local i
    make_tree tree
    bytes 1500000 | split -b 5000 --numeric-suffixes=100 -a 3 - tree/f
    expect 0 "$dxup" publish store t tree
    for i in $(seq 10); do
        bytes 400000 >tree/data
        rm -f tree/f$((99 + i))
        "$dxup" publish store t tree --quiet &
        moment 40
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        expect 0 "$dxup" verify store
        rm -rf out
        expect 0 "$dxup" checkout store t out
        [ $bad = 0 ] || break
    done
    expect 0 "$dxup" publish store t tree
    rm -rf out
    "$dxup" checkout store t out --quiet &
    sleep 0.01
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    expect 0 "$dxup" checkout store t out --force
    same_tree tree out
    [ -z "$(find . -name '*dxup-part*')" ] || fail "a part was left behind"
}
versions_of_a_tree_as_deltas() { # changes are stored as deltas, also after gc, and without the versions before
    make_tree tree
    bytes 100000 >tree/large
    expect 0 "$dxup" publish store t tree
    cp -a tree v1
    for v in 2 3 4 5; do
        size=$(stat -c %s store/objects)
        for f in data large; do { head -c $((v * 9000)) v$((v - 1))/$f; echo "version $v"; tail -c +$((v * 9001)) v$((v - 1))/$f; } >tree/$f; done
        expect 0 "$dxup" publish store t tree
        cp -a tree v$v
        [ $(($(stat -c %s store/objects) - size)) -lt 4000 ] || fail "version $v takes $(($(stat -c %s store/objects) - size)) bytes"
    done
    expect 0 "$dxup" verify store
    for v in 1 2 3 4 5; do
        rm -rf out
        expect 0 "$dxup" checkout store t@$v out
        same_tree v$v out
    done
    expect 0 "$dxup" gc store --keep 2
    [ $(stat -c %s store/objects) -lt 200000 ] || fail "gc made $(stat -c %s store/objects) bytes of it"
    expect 0 "$dxup" verify store
    for v in 4 5; do
        rm -rf out
        expect 0 "$dxup" checkout store t@$v out
        same_tree v$v out
    done
    rm store/index
    expect 0 "$dxup" verify store
}
versions_of_a_file_as_deltas() { # like those of a tree; also after an insertion, and with one version left
    bytes 600000 >v1
    expect 0 "$dxup" publish store f v1
    for v in 2 3 4; do
        size=$(stat -c %s store/objects)
        { head -c $((v * 90000)) v$((v - 1)); bytes 500; tail -c +$((v * 90001)) v$((v - 1)); } >v$v
        expect 0 "$dxup" publish store f v$v
        [ $(($(stat -c %s store/objects) - size)) -lt 6000 ] || fail "version $v takes $(($(stat -c %s store/objects) - size)) bytes"
    done
    for how in "" "--keep 2" "--keep 1 --pack"; do
        expect 0 "$dxup" gc store $how
        expect 0 "$dxup" verify store
        for v in 1 2 3 4; do
            case $how$v in --keep*1 | --keep*2 | --keep*pack3) continue ;; esac
            expect 0 "$dxup" checkout store f@$v out
            same v$v out
        done
    done
    expect 2 "$dxup" checkout store f@3 out
    bytes 300 >v5
    cat v4 >>v5
    expect 0 "$dxup" publish store f v5
    rm store/index
    expect 0 "$dxup" verify store
    expect 0 "$dxup" checkout store f out
    same v5 out
}
a_packed_store() { # --pack finds similar data, in a version and between them, and loses nothing
    mkdir tree
    bytes 20000 >shared
    for f in $(seq 20); do { head -c $((f * 900)) shared; echo "file $f"; tail -c +$((f * 900)) shared; } >tree/$f; done
    for v in 1 2 3; do
        echo "version $v" >>tree/$v
        cp -a tree v$v
        expect 0 "$dxup" publish store t tree
        { cat shared; cat tree/$v; } >f$v
        expect 0 "$dxup" publish store f f$v
    done
    expect 0 "$dxup" gc store
    size=$(stat -c %s store/objects)
    expect 0 "$dxup" gc store --pack
    [ $(stat -c %s store/objects) -lt $((size / 4)) ] || fail "gc --pack made $(stat -c %s store/objects) bytes of $size"
    expect 0 "$dxup" verify store
    packed=$(stat -c %s store/objects)
    expect 0 "$dxup" gc store # as they are
    [ $(stat -c %s store/objects) = $packed ] || fail "gc made $(stat -c %s store/objects) bytes of $packed"
    for how in "" "--keep 1 --pack"; do
        [ -z "$how" ] || expect 0 "$dxup" gc store $how
        expect 0 "$dxup" verify store
        for v in 1 2 3; do
            [ -z "$how" ] || [ $v = 3 ] || continue
            rm -rf out
            expect 0 "$dxup" checkout store t@$v out
            same_tree v$v out
            expect 0 "$dxup" checkout store f@$v out2
            same f$v out2
        done
    done
    bytes 100 >>tree/5
    expect 0 "$dxup" publish store t tree
    rm -rf out
    expect 0 "$dxup" checkout store t out
    same_tree tree out
}
a_flipped_byte_in_a_tree() {
    make_tree tree
    expect 0 "$dxup" publish store t tree
    size=$(stat -c %s store/objects)
    cp store/objects good
    for i in $(seq 24); do
        cp good store/objects
        if [ $i -gt 12 ]; then flip_anywhere store/objects 2000; else flip_anywhere store/objects; fi # the directories are at the end
        expect 4 "$dxup" verify store
        rm -rf out
        if "$dxup" checkout store t out --quiet >/dev/null 2>&1; then same_tree tree out; elif [ -e out ]; then fail "half a tree"; fi
        [ $bad = 0 ] || { echo "     the byte was number $at of $size"; break; }
    done
}
make_plain() { # ./plain: a dxup without snapshots, which pulls as releases before them did
    local zstd=
    ! ldd "$dxup" | grep -q zstd || zstd='-DVERSIONS_ZSTD_LIBRARY -lzstd'
    [ -x "$work/plain" ] ||
        expect 0 ${CC:-cc} -std=c11 -O0 -DVERSIONS_NO_SNAPSHOTS "${dxup_sources[@]}" -o "$work/plain" $zstd -lpthread
    ln -sf "$work/plain" plain
}
trees_as_streams_in_the_same_store() { # output of a dxup without snapshots is read, and it reads snapshots
    make_plain
    make_tree tree
    expect 0 ./plain publish store t tree
    for path in data sub/a.c sub/nothing; do "$dxup" cat store t:$path | cmp - tree/$path || fail "cat of $path"; done
    expect 2 "$dxup" cat store t:sub/a
    expect 1 "$dxup" cat store t:sub/link
    expect 0 "$dxup" ls store t:sub
    [ "$(echo "$out" | awk '{ print $1, $4 }' | tr '\n' ,)" = "-rwxr-xr-x sub/a.c,dr-xr-xr-x sub/deep/,lrwxrwxrwx sub/link,-rw-r--r-- sub/nothing," ] || fail "$out"
    says " -> ../data"
    echo more >>tree/data
    expect 0 "$dxup" publish store t tree
    expect 0 ./plain verify store
    expect 0 "$dxup" verify store
    start_server store
    expect 6 "$dxup" checkout store t@1 here --entries-max 3
    says "more than --entries-max 3"
    expect 6 "$dxup" pull "$address" t@1 here --size-max 10
    says "more than --size-max 10"
    [ ! -e here ] || fail "it was made"
    expect 0 "$dxup" checkout store t@1 here
    expect 0 "$dxup" pull "$address" t here --report
    [ "$(get outcome)" = patch ] || fail "$out"
    same_tree tree here
    expect 0 ./plain pull "$address" t there
    same_tree tree there
    expect 0 "$dxup" gc store
    expect 0 ./plain gc store
    expect 0 ./plain publish store t2 tree
    expect 0 "$dxup" checkout store t2 again
    same_tree tree again
}

logged() { # COUNT EXPRESSION [FILE]     COUNT lines e of the log match; waits for them
    local i got=
    for i in $(seq 200); do
        got=$(python3 -c 'import json, sys; print(sum(bool(eval(sys.argv[1], {"e": e})) for e in map(json.loads, open(sys.argv[2]))))' "$2" "${3:-log}")
        [ "$got" = "$1" ] && return
        sleep 0.05
    done
    fail "$got lines instead of $1: $2 in: $(tail -5 "${3:-log}")"
}
a_server_that_logs() { # one line per pull, which nobody can forge; renamed, full, on standard error
    local i
    bytes 300000 >f
    mkdir -p tree/sub
    for i in 1 2 3; do bytes 20000 >tree/sub/f$i; done
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" publish store tree tree
    expect 5 "$dxup" serve store --listen 127.0.0.1:0 --log no/such/folder
    says "cannot open the log"
    start_server store --log log
    [ "$(stat -c %a log)" = 640 ] || fail "mode of the log: $(stat -c %a log)"
    expect 0 "$dxup" pull "$address" f a
    echo more >>f
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" pull "$address" f a --report
    sent=$(get wire_bytes)
    expect 0 "$dxup" pull "$address" f a
    expect 0 "$dxup" pull "$address" tree t
    expect 2 "$dxup" pull "$address" "$(printf 'no\",\\ \xe2\x80\xa8name')" x
    logged 1 'e["request"] == "pull" and e["name"] == "f" and e["result"] == "objects" and e["to"] == 1 and "from" not in e'
    logged 1 'e["request"] == "objects" and e["name"] == "f" and e["result"] == "sent" and e["sent"] > 290000'
    logged 1 'e["request"] == "pull" and e["result"] == "patch" and (e["from"], e["to"]) == (1, 2) and len(e["from_hash"]) == 64 and 0 < e["sent"] < 1000'
    logged 1 'e["request"] == "pull" and e["name"] == "f" and e["result"] == "unchanged" and e["from_hash"] == e["to_hash"] and e["sent"] == 0'
    logged 1 'e["request"] == "pull" and e["name"] == "tree" and e["result"] == "objects"'
    logged 1 'e["request"] == "pull" and e["name"] == "no\",\\ \u2028name" and e["result"] == "refused" and e["status"] == 404'
    logged 5 'e["request"] == "pull"'
    logged 7 'e["peer"].startswith("127.0.0.1:") and e["time"][10] == "T" and e["time"][-1] == "Z" and e["ms"] < 60000'
    stop_server
    [ $server_status = 0 ] || fail "the server ended with status $server_status"
}
a_log_that_is_renamed() { # by logrotate, which sends SIGHUP; a pull in progress continues, and so does the server
    bytes 3000000 >f
    expect 0 "$dxup" publish store f f
    start_server store --log log
    "$dxup" pull "$address" f a --limit-rate 1000000 >pulled 2>&1 &
    client=$!
    until [ -e .a.dxup-sync ] || ! kill -0 $client 2>/dev/null; do sleep 0.02; done
    for i in 1 2 3; do
        mv log log.$i
        kill -HUP "$server"
        until [ -e log ]; do sleep 0.02; kill -0 "$server" || return; done
    done
    wait $client || fail "the pull: $(cat pulled)"
    same f a
    logged 1 'e["request"] == "objects" and e["result"] == "sent" and e["sent"] > 2900000'
    logged 1 'e["request"] == "pull"' log.1
    # If the file cannot be reopened, the open one stays in use.
    mv log log.4
    mkdir log
    kill -HUP "$server"
    until grep -q "cannot open the log again" "$work/serve.log"; do sleep 0.02; kill -0 "$server" || return; done
    expect 0 "$dxup" pull "$address" f a
    logged 1 'e["result"] == "unchanged"' log.4
    # Another store that replaces the open one is detected.
    bytes 1000 >g
    expect 0 "$dxup" publish other g g
    mv store old
    mv other store
    expect 2 "$dxup" pull "$address" g b
    kill -HUP "$server"
    for i in $(seq 100); do "$dxup" pull "$address" g b --quiet 2>/dev/null && break; sleep 0.05; done
    same g b
    stop_server
    [ $server_status = 0 ] || fail "the server ended with status $server_status"
}
# --config: every long option is a key of a table with the command's name.
has_toml() { # or the case ends
    printf '' >empty.toml
    "$dxup" log none --json >/dev/null 2>&1
    if "$dxup" publish none n none --config empty.toml 2>&1 | grep -q 'without toml++'; then
        expect 5 "$dxup" publish none n none --config empty.toml
        return 1
    fi
}
options_in_a_file() {
    bytes 100000 >f
    has_toml || { skip "dxup was built without toml++"; return; }
    mkdir t && cp f t/keep.c && cp f t/x.o && cp f t/y.o
    cat >all.toml <<EOF
[publish]
store = "store"
name = "tree"
exclude = ["*.o", "/no/"] # the first rule that matches decides
include = ["*"]
workers = 2

[serve]
store = "store"
listen = "127.0.0.1:0"
patch-max = "32M"
connections = 50
json = false

[pull]
address = "127.0.0.1:1"
name = "tree"
limit-rate = 100000000
force = true
EOF
    expect 0 "$dxup" publish t --config all.toml --quiet
    expect 0 "$dxup" ls store tree:
    says keep.c
    case $out in *.o*) fail "excluded by the file, and there: $out" ;; esac
    # The rules of the command line come first.
    expect 0 "$dxup" publish t --config all.toml --quiet --include x.o
    expect 0 "$dxup" ls store tree:
    says x.o
    case $out in *y.o*) fail "excluded by the file, and there: $out" ;; esac
    expect 0 "$dxup" publish other o t --config=all.toml --quiet # all plain arguments: the file's count for nothing
    expect 0 "$dxup" log other o
    expect 1 "$dxup" publish a b c d --config all.toml
    says "unexpected argument 'd'"
    expect 1 "$dxup" publish a t --config all.toml
    says "unexpected argument 't': all.toml sets the others"
    expect 1 "$dxup" publish --config all.toml
    says "needs more arguments; usage: dxup publish STORE NAME PATH"
    "$dxup" serve --config all.toml >"$work/serve.log" 2>&1 </dev/null &
    server=$!
    until grep -q '^listening on .* with' "$work/serve.log" || ! kill -0 $server; do sleep 0.02; done
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    expect 3 "$dxup" pull copy --config all.toml # nobody listens at the file's address
    sed -i "s/127.0.0.1:1/$address/" all.toml
    expect 0 "$dxup" pull copy --config all.toml --report
    same copy/x.o f
    expect 0 "$dxup" pull "$address" tree@1 old --config all.toml
    [ ! -e old/x.o ] || fail "the version of the command line was not pulled"
}

a_hostile_configuration() {
    has_toml || { skip "dxup was built without toml++"; return; }
    bad_config() { # TEXT MESSAGE
        printf '%s' "$1" >c.toml
        expect 1 timeout 30 "$dxup" serve store --listen 127.0.0.1:0 --config c.toml
        says "$2"
    }
    bad_config $'[serve]\nlisten = "127.0.0.1:0"\nworker = 2\n' "c.toml:3: worker: no such key in [serve]"
    says "did you mean workers?"
    bad_config $'[serve]\nworkers = 0\n' "c.toml:2: workers: '0' is not a number from 1 to 256"
    bad_config $'[serve]\nworkers = -1\n' "c.toml:2: workers: '-1' is not a number"
    bad_config $'[serve]\nworkers = "2"\n' "c.toml:2: workers: must be an integer"
    bad_config $'[serve]\nworkers = 1.5\n' "c.toml:2: workers: must be an integer"
    bad_config $'[serve]\nworkers = [1, 2]\n' "c.toml:2: workers: must not be a list"
    bad_config $'[serve]\nworkers = []\n' "c.toml:2: workers: must be an integer"
    bad_config $'[serve.workers]\na = 2\n' "c.toml:2: a: must not be a table"
    bad_config $'[serve]\npatch-max = "64X"\n' "c.toml:2: patch-max: '64X' is not a size from 0 to 1073741824 bytes"
    bad_config $'[serve]\npatch-max = true\n' 'c.toml:2: patch-max: must be an integer, or a string such as "64M"'
    bad_config $'[serve]\njson = 1\n' "c.toml:2: json: must be true or false"
    bad_config $'[serve]\nbackend = "poll"\n' "c.toml:2: backend: 'poll' is not one of auto, io_uring, epoll, kqueue, iocp"
    bad_config $'[serve]\nlisten = "here"\n' "c.toml:2: listen must be HOST:PORT"
    bad_config $'[serve]\nallow-origin = "a b"\n' "c.toml:2: allow-origin: 'a b' is not an origin"
    bad_config $'[serve]\nlog = ""\n' "c.toml:2: log: must not be empty"
    bad_config $'[serve]\nlog = 1979-05-27\n' "c.toml:2: log: must be a string"
    bad_config $'[serve]\nlog = "a\\u0000b"\n' "c.toml:2: a string has a zero byte"
    bad_config $'[serve]\nstore = 7\n' "c.toml:2: store: must be a string"
    bad_config $'[serve]\nconfig = "c.toml"\n' "c.toml:2: config: must be on the command line"
    bad_config $'[serve]\nlog = "a"\nlog = "b"\n' "c.toml:3: "
    bad_config $'[serve]\n[serve]\n' "c.toml:2: "
    bad_config $'[[serve]]\nworkers = 2\n' "c.toml:2: workers: must be in one table"
    bad_config $'[sevre]\n' "c.toml:1: sevre: no such table; the tables are [publish], [serve], [pull], [watch]"
    bad_config $'workers = 2\n' "c.toml:1: workers: a key must be in the table of a command"
    bad_config $'serve = 2\n' "c.toml:1: serve: must be a table"
    bad_config $'[pull]\ninterval = 3\n' "c.toml:2: interval: no such key in [pull]" # the other tables are checked too
    bad_config $'[pull]\nconnections = 5000\n' "c.toml:2: connections: '5000' is not a number"
    bad_config "$(printf '[serve]\nlog = '; head -c 20000 /dev/zero | tr '\0' '[')" "c.toml:2: "
    bad_config "$(printf '[serve]\na.b.c.d.e.f.g = 1\n')" "c.toml:2: "
    bad_config $'[serve]\n"log\\u0000x" = "a"\n' "c.toml:2: a key has a zero byte"
    for i in '%s = 1' '[%s]' 'b = {%s = 1}' '"..\\"..".%s = 1'; do # toml++ has no limit for these
        text=$(printf 'a.%.0s' {1..200000})
        bad_config "$(printf "a = '.....................' # ......................\n$i" "${text}a")" "c.toml:2: nested too deep"
    done
    bad_config $'a = \'\'\'\n.....................\n\'.\'\'\'\nb = [1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5, 1.5, 2.5]\n' \
        "c.toml:1: a: a key must be" # these are no keys
    bad_config $'[serve' "c.toml:1: "
    bad_config $'[serve]\nlog = "\xff\xfe"\n' "c.toml:2: "
    bytes 4096 >c.toml
    printf '\0' >>c.toml
    expect 1 timeout 30 "$dxup" serve store --listen 127.0.0.1:0 --config c.toml
    says "c.toml:"
    head -c 1048577 /dev/zero | tr '\0' '#' >c.toml
    expect 1 timeout 30 "$dxup" serve store --listen 127.0.0.1:0 --config c.toml
    says "c.toml: larger than 1048576 bytes"
    mkdir d && mkfifo p
    for i in d p /dev/zero; do
        expect 1 timeout 30 "$dxup" serve store --listen 127.0.0.1:0 --config $i
        case $i in
        d) says "d: is a directory" ;;
        *) says "$i: is not a regular file" ;;
        esac
    done
    expect 2 "$dxup" serve store --listen 127.0.0.1:0 --config none.toml
    says "none.toml: No such file"
    expect 1 "$dxup" serve --config empty.toml --listen 127.0.0.1:0
    says "serve needs more arguments"
    expect 1 "$dxup" log store --config empty.toml
    says "has no option --config"
}

reload() { # TEXT MESSAGE      the server says that, and continues
    rm -f fresh
    printf '%s' "$1" >fresh
    mv fresh c.toml
    : >"$work/serve.log" # opened for appending
    kill -HUP "$server"
    until grep -q "$2" "$work/serve.log"; do
        sleep 0.02
        kill -0 "$server" 2>/dev/null || { fail "the server ended: $(cat "$work/serve.log")"; return; }
    done
}
a_server_reads_its_configuration_again() {
    has_toml || { skip "dxup was built without toml++"; return; }
    bytes 3000000 >f
    expect 0 "$dxup" publish store f f --quiet
    start='[serve]
store = "store"
listen = "127.0.0.1:0"
http = "127.0.0.1:0"
allow-origin = "https://a.example"
workers = 1
log = "log.1"
'
    printf '%s' "$start" >c.toml
    : >"$work/serve.log"
    "$dxup" serve --config c.toml >>"$work/serve.log" 2>&1 </dev/null &
    server=$!
    until grep -q 'for HTTP' "$work/serve.log" || ! kill -0 $server; do sleep 0.02; done
    address=$(sed -n 's/^listening on \([^ ]*\) with.*/\1/p' "$work/serve.log")
    http=$(sed -n 's/^listening on \([^ ]*\) for HTTP/\1/p' "$work/serve.log")
    origin() { curl -sI "http://$http/f" | tr -d '\r' | sed -n 's/^Access-Control-Allow-Origin: //p'; }
    [ "$(origin)" = https://a.example ] || fail "origin $(origin)"
    expect 0 "$dxup" pull "$address" f a --quiet
    # A pull in progress continues, with another log, another origin, and what only a start changes.
    "$dxup" pull "$address" f b --limit-rate 1000000 --quiet >pulled 2>&1 &
    client=$!
    until [ -e .b.dxup-sync ] || ! kill -0 $client 2>/dev/null; do sleep 0.02; done
    start2=${start//workers = 1/workers = 7}
    reload "${start2//log.1/log.2}connections-per-address = 1
" "^reloaded c.toml"
    says_file "$work/serve.log" "c.toml: workers has changed; it takes effect at the next start"
    while "$dxup" pull "$address" f a --quiet 2>/dev/null; do
        kill -0 $client 2>/dev/null || { fail "the limit of connections did not change"; break; }
    done
    reload "${start//a.example/b.example}" "^reloaded c.toml"
    until [ "$(origin)" = https://b.example ]; do sleep 0.02; kill -0 "$server" || return; done
    wait $client || fail "the pull: $(cat pulled)"
    same f b
    # A file with an error changes nothing of it.
    start2=${start//workers = 1/workers = 0}
    reload "${start2//log.1/log.3}" "c.toml is not in force"
    says_file "$work/serve.log" "c.toml:6: workers: '0' is not a number from 1 to 256"
    reload "${start//log.1/none/log}" "c.toml is not in force"
    says_file "$work/serve.log" "none/log: cannot open the log"
    reload "${start//https*example/*}[[" "c.toml is not in force"
    rm c.toml
    : >"$work/serve.log"
    kill -HUP "$server"
    until grep -q "c.toml is not in force" "$work/serve.log"; do sleep 0.02; kill -0 "$server" || return; done
    [ "$(origin)" = https://b.example ] || fail "origin $(origin)"
    [ ! -e log.3 ] || fail "the log of a refused configuration was opened"
    # The last one in force says log.1.
    expect 0 "$dxup" pull "$address" f a
    until grep -q '"unchanged"' log.1; do sleep 0.02; kill -0 "$server" || return; done
    grep -q '"unchanged"' log.2 && fail "the line is in the log of before"
    reload "${start//log = \"log.1\"/}" "a log is begun or ended at the next start only"
}
a_server_that_stops() { # at any byte, and stays connected: one wait, not one per attempt
    local began
    bytes 2000000 >f
    expect 0 "$dxup" publish store f f
    mkdir t && bytes 300000 >t/a && bytes 300000 >t/b
    expect 0 "$dxup" publish store t t
    start_server store
    direct=$address
    stops() { # BYTES NAME DEST [OPTION...]
        address=$direct
        start_proxy stops "$1"
        began=$SECONDS
        expect 3 timeout 60 "$dxup" pull "$address" "$2" "$3" --timeout 1 "${@:4}"
        says "$address sent nothing for 1 s: the server is stopped, or the network is down"
        [ $((SECONDS - began)) -le 20 ] || fail "$* took $((SECONDS - began)) s"
        stop_proxy
        address=$direct
    }
    stops 0 f a
    says "a is unchanged"
    draw 2000
    stops $drawn f a
    draw 1990000
    stops $((1000 + drawn)) f a
    says "it resumes here"
    [ ! -e a ] || fail "a part of f is at a"
    draw 590000
    stops $((1000 + drawn)) t u --connections 3
    [ ! -e u ] || fail "a part of t is at u"
    expect 0 "$dxup" pull "$direct" f a
    expect 0 "$dxup" pull "$direct" t u
    same f a
    same_tree t u
    # The process itself; when it continues, so does the next pull.
    "$dxup" pull "$direct" f b --limit-rate 1000000 --timeout 1 >pulled 2>&1 &
    client=$!
    until [ -e .b.dxup-sync ] || ! kill -0 $client 2>/dev/null; do sleep 0.02; done
    kill -STOP "$server"
    began=$SECONDS
    wait $client
    [ $? = 3 ] || fail "a pull from a stopped server: $(cat pulled)"
    [ $((SECONDS - began)) -le 20 ] || fail "it took $((SECONDS - began)) s"
    kill -CONT "$server"
    says_file pulled "sent nothing for 1 s"
    expect 0 "$dxup" pull "$direct" f b
    same f b
}
lines_dropped() { # PORT of the status page
    python3 -c 'import sys, urllib.request as u; print(next(l.split()[1] for l in u.urlopen("http://127.0.0.1:" + sys.argv[1] + "/metrics").read().decode().splitlines() if l.startswith("dxup_log_dropped_total ")))' "$1"
}
a_log_on_a_full_disk() { # costs no time, and says how many lines are missing: each once
    local port i ticks file
    bytes 1000 >f
    expect 0 "$dxup" publish store f f
    mkdir "$work/mnt1"
    mount -t tmpfs -o size=64k none "$work/mnt1" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return; }
    for file in /dev/full "$work/mnt1/log"; do
        start_server store --log "$file" --http 127.0.0.1:0 --status 127.0.0.1:0
        until grep -q "for status" "$work/serve.log"; do sleep 0.02; done
        port=$(sed -n 's/^listening on .*:\([0-9]*\) for HTTP/\1/p' "$work/serve.log")
        for i in $(seq 8); do
            [ $i != 8 ] || rm -f "$work/mnt1/fill"
            printf 'HEAD /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "line-$i-$(printf %500s | tr ' ' x)" >/dev/tcp/127.0.0.1/$port
            sleep 0.1
            [ $i != 1 ] || [ "$file" = /dev/full ] || dd if=/dev/zero of="$work/mnt1/fill" bs=4k status=none 2>/dev/null
        done
        ticks=$(awk '{ print $14 + $15 }' /proc/$server/stat)
        sleep 1
        [ $(($(awk '{ print $14 + $15 }' /proc/$server/stat) - ticks)) -lt 20 ] || fail "$file: it works on without requests"
        port=$(sed -n 's/^listening on .*:\([0-9]*\) for status/\1/p' "$work/serve.log")
        dropped=$(lines_dropped "$port")
        stop_server
        [ "$server_status" = 0 ] || fail "the server ended with status $server_status"
        if [ "$file" = /dev/full ]; then
            [ "$dropped" = 8 ] || fail "$dropped of 8 lines were dropped"
        else
            python3 - "$file" "$dropped" <<'END' || fail "$(cat "$file")"
import json, sys
whole, counted, partial = 0, 0, 0
for line in open(sys.argv[1]):
    try:
        entry = json.loads(line)
    except ValueError:
        partial += 1
        continue
    counted += entry.get("dropped", 0)
    whole += "line-" in entry.get("path", "")
print(whole, counted, partial)
sys.exit(whole + counted != 8 or counted != int(sys.argv[2]) or not counted or partial > 1)
END
        fi
    done
}
a_log_that_nobody_reads() { # blocks nobody, costs bounded memory, and says how many lines are missing
    bytes 1000 >f
    expect 0 "$dxup" publish store f f
    mkfifo log
    sleep 1000 <log & # has it open, but reads nothing
    local reader=$! port i
    start_server store --log log --http 127.0.0.1:0 --status 127.0.0.1:0
    until grep -q "for status" "$work/serve.log"; do sleep 0.02; done
    address=${address%%$'\n'*}
    port=$(sed -n 's/^listening on .*:\([0-9]*\) for HTTP/\1/p' "$work/serve.log")
    python3 - "$port" <<'END' || fail "not all was answered"
import socket, sys
ask = b"HEAD /" + b"x" * 250 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
count, got, s = 20000, b"", socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
answered = 0
for _ in range(count // 100):
    s.sendall(ask * 100)
    while got.count(b"\r\n\r\n") < 100:
        got += s.recv(65536)
    answered += got.count(b"HTTP/1.1 404")
    got = b""
sys.exit(answered != count)
END
    [ "$(awk '/VmHWM/ { print $2 }' /proc/$server/status)" -lt 60000 ] || case $dxup in *asan*) ;; *) fail "$(grep VmHWM /proc/$server/status)" ;; esac
    port=$(sed -n 's/^listening on .*:\([0-9]*\) for status/\1/p' "$work/serve.log")
    dropped=$(lines_dropped "$port")
    [ "$dropped" -gt 10000 ] || fail "$dropped lines were dropped"
    cat log >read & # now it is read, and the log continues
    for i in $(seq 200); do
        expect 0 "$dxup" pull "$address" f a
        [ "$bad" != 0 ] || grep -q '"dropped"' read && break
        sleep 0.05
    done
    kill $reader
    logged 1 'e.get("dropped", 0) == '"$dropped" read
    stop_server
    # It also ends while a write hangs.
    mkfifo stuck
    sleep 1000 <stuck &
    reader=$!
    start_server store --log stuck --http 127.0.0.1:0
    until grep -q "for HTTP" "$work/serve.log"; do sleep 0.02; done
    port=$(sed -n 's/^listening on .*:\([0-9]*\) for HTTP/\1/p' "$work/serve.log")
    for i in $(seq 10); do printf 'HEAD /%s HTTP/1.1\r\nHost: a\r\n\r\n%.0s' $(seq 400) >/dev/tcp/127.0.0.1/$port; done
    sleep 0.5
    stop_server
    [ $server_status = 0 ] || fail "the server ended with status $server_status"
    kill $reader
    # On standard error, next to messages.
    start_server store --log -
    expect 0 "$dxup" pull "$address" f b
    for i in $(seq 100); do grep -q '"result":"objects"' "$work/serve.log" && break; sleep 0.05; done
    says_file "$work/serve.log" '^{"time":.*"request":"pull","name":"f".*"result":"full"}$'
}

# >>failures
no_server_and_no_such_name() {
    bytes 100 >f
    cp f before
    expect 3 "$dxup" pull 127.0.0.1:1 app f
    same before f
    expect 0 "$dxup" publish store app f
    start_server store
    expect 2 "$dxup" pull "$address" other f
    says "other"
    same before f
}
a_server_that_lies() { # every way in which the bytes can be wrong
    make_versions
    chmod 600 old
    for how in garbage silent-close truncate wrong-hash wrong-base wrong-size bad-offset bad-crc too-much \
        patch-for-nothing unchanged-lie huge-frame half-frame bad-tree empty-pieces ping-flood escapes small-pieces another-version hello-refused hello-of-3; do
        rm -f evil.log # it has the previous server's address
        asked=app # for which it sends version 2
        [ $how = another-version ] && asked=app@1
        "$evil" ${how/another-version/small-pieces} old new >evil.log 2>&1 &
        server=$!
        for i in $(seq 1200); do
            address=$(sed -n "s/^listening on //p" evil.log 2>/dev/null)
            [ -z "$address" ] && kill -0 $server 2>/dev/null || break
            sleep 0.05
        done
        cp old a
        [ $how = patch-for-nothing ] && rm a
        out=$("$dxup" pull "$address" $asked a 2>&1 </dev/null)
        got=$?
        case $how:$got in small-pieces:0 | [!s]*:[346] | silent-close:3) ;; *) fail "$how: status $got: $out" ;; esac
        case $how:$out in # the message names what it does wrong
            wrong-hash:*"does not match the hash that the server announced"* | bad-crc:*"a checksum does not match"* | empty-pieces:*"the server sent a bad chunk"*) ;;
            another-version:*"sent version 2 instead of 'app@1'"*) ;;
            hello-*:*"install the same dxup on both sides"*) ;;
            wrong-hash:* | bad-crc:* | empty-pieces:* | another-version:* | hello-*:* | *$'\033'*) fail "$how: $out" ;;
        esac
        [ -n "$out" ] || fail "$how: no message"
        case $how in
            patch-for-nothing) [ ! -e a ] || fail "$how: a file appeared" ;;
            small-pieces) same new a ;; # odd, but valid
            *) same old a ;;
        esac
        [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "$how: something was left behind"
        stop_server
    done
}
peers_of_other_versions_of_the_protocol() {
    bytes 300000 >f
    expect 0 "$dxup" publish store f f
    start_server store
    expect 0 python3 "$top/tests/programs/dxup_versions.py" "$dxup" "$address" f f
    stop_server
    [ "$server_status" = 0 ] || fail "the server ended with status $server_status"
}
# Two versions of a source tree, packed: old.tgz, new.tgz by gzip, old.jar, new.jar by zlib, old.tar and new.tar.
make_packed() {
    mkdir before && cp -R "$top/programs/common" "$top/programs/versions" "$top/layers" before
    cp -R before after
    sed -i '1s/^/\/* The next release. *\/\n/; s/PROG_REFUSED/PROG_REJECTED/' after/common/*.c after/versions/*.c
    mv after/common/line.c after/common/lines.c
    bytes 3000 | od -An -tx1 >after/layers/table.txt
    for side in before:old after:new; do
        tar --sort=name --mtime=@0 --owner=0 --group=0 -C "${side%:*}" -cf "${side#*:}.tar" . || return 1
        gzip -nc "${side#*:}.tar" >"${side#*:}.tgz"
    done
    python3 - <<'END'
import os, zipfile
for side, name in ("before", "old"), ("after", "new"):
    with zipfile.ZipFile(name + ".jar", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "Manifest-Version: 1.0\n\n")
        for folder, folders, files in sorted(os.walk(side)):
            for file in sorted(files):
                path = os.path.join(folder, file)
                info = zipfile.ZipInfo(os.path.relpath(path, side))
                info.compress_type = zipfile.ZIP_DEFLATED
                with open(path, "rb") as f: z.writestr(info, f.read())
END
}
has_packers() { # else the case is skipped
    command -v python3 >/dev/null || { skip "no python3 here"; return 1; }
    [ -x "$top/build/dxpatch" ] || { skip "no build/dxpatch"; return 1; }
    make_packed || { skip "no tar that sorts"; return 1; }
    "$top/build/dxpatch" diff old.tgz new.tgz patch --quiet
    [ "$(head -c 4 patch)" = DXC1 ] || { skip "built without zlib"; return 1; }
}
a_patch_of_words_is_no_dearer_than_streams() { # words of random bytes: the range coder has twice the bytes
    python3 - <<'END'
import random
dice = random.Random(1)
words = [dice.randbytes(dice.randint(2, 8)) for _ in range(3000)]
data = b"".join(dice.choice(words) for _ in range(150000))
open("old", "wb").write(data[:300000])
open("new", "wb").write(data[:600000])
END
    has_packers || return # a client that can name no kind of container is served as one of 0.2.0
    expect 0 "$dxup" publish store words old
    expect 0 "$dxup" publish store words new
    start_server store
    expect 0 "$top/build/dxpatch" diff -6 old new patch
    cp old file
    expect 0 "$dxup" pull "$address" words file --report
    same new file
    [ $((10 * $(get wire))) -le $((11 * $(stat -c %s patch))) ] || fail "$(get wire) bytes on the wire, the patch has $(stat -c %s patch)"
    stop_server
}
what_is_packed_is_patched() { # a pull of a .tgz or .jar transfers the differences of its contents, not all of it
    local kind most
    has_packers || return
    for kind in tgz jar; do
        expect 0 "$dxup" publish store $kind old.$kind
        expect 0 "$dxup" publish store $kind new.$kind
    done
    start_server store
    for kind in tgz jar; do
        expect 0 "$top/build/dxpatch" diff old.$kind new.$kind patch
        most=$(($(stat -c %s patch) * 11 / 10))
        cp old.$kind file
        expect 0 "$dxup" pull "$address" $kind file --report
        same new.$kind file
        [ "$(get outcome)" = patch ] && [ "$(get wire)" -le $most ] || fail "$kind: $(get outcome), $(get wire) bytes on the wire, at most $most"
        [ $((8 * $(get wire))) -le "$(stat -c %s new.$kind)" ] || fail "$kind: $(get wire) bytes on the wire for $(stat -c %s new.$kind)"
        expect 0 "$dxup" diff store $kind@1 $kind@2
        says "(patch)"
        cp new.$kind file # and back
        expect 0 "$dxup" pull "$address" $kind@1 file --force --report
        same old.$kind file
        [ "$(get wire)" -le $most ] || fail "$kind: $(get wire) bytes on the wire, at most $most"
        cp old.$kind file
        expect 0 "$dxup" pull "$address" $kind file --dry-run
        same old.$kind file
        says "$kind@2 would be pulled"
        expect 0 python3 "$top/tests/programs/dxup_versions.py" "$dxup" "$address" $kind new.$kind old.$kind
    done
}
a_packed_patch_by_ranges() { # 4 MiB and more, over several connections
    has_packers || return
    bytes 6000000 >noise
    for side in old new; do
        { cat $side.tar; [ $side = old ] || cat noise; } | gzip -n1 >$side.tgz
        expect 0 "$dxup" publish store f $side.tgz
    done
    start_server store
    cp old.tgz file
    expect 0 "$dxup" pull "$address" f file --connections 3 --report
    same new.tgz file
    [ "$(get outcome)" = patch ] && [ "$(get wire)" -ge 6000000 ] && [ "$(get wire)" -lt 6200000 ] || fail "$out"
}
other_libraries_pack_otherwise() { # then another patch is fetched
    has_packers || return
    case $dxup in *asan*) skip "sanitizers are loaded first"; return ;; esac
    cat >zlib.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#ifdef OTHER_NAME
const char *zlibVersion(void) { return "0.0.0"; }
#endif
int deflateInit2_(void *z, int level, int method, int window, int memory, int strategy, const char *version, int size)
{
    int (*next)(void *, int, int, int, int, int, const char *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "deflateInit2_");
    return next(z, level < 9 ? level + 1 : 1, method, window, memory, strategy, version, size);
}
END
    ${CC:-cc} -shared -fPIC -DOTHER_NAME -o zlib.so zlib.c -ldl || { skip "no shared library can be built"; return; }
    ${CC:-cc} -shared -fPIC -o same.so zlib.c -ldl
    expect 0 "$dxup" publish store f old.jar
    expect 0 "$dxup" publish store f new.jar
    LD_PRELOAD=$PWD/zlib.so start_server store
    cp old.jar file
    expect 0 "$dxup" pull "$address" f file
    says "file: a patch of its unpacked contents gives another file here"
    says "zlib 0.0.0"
    same new.jar file
    [ -z "$(find . -name '.file.*part*')" ] || fail "left behind: $(ls -A)"
    stop_server
    start_server store
    cp old.jar file
    expect 0 "$dxup" pull "$address" f file
    case "$out" in *"0.0.0"*) fail "$out" ;; esac
    stop_server
    LD_PRELOAD=$PWD/same.so start_server store # of the same version
    cp old.jar file
    expect 0 "$dxup" pull "$address" f file
    says "gives another file here"
    same new.jar file
}
hostile() { # PATCH STATUS [WORDS]        a server sends it: old.jar stays unchanged
    local i
    rm -f evil.log
    "$evil" this-patch old.jar new.jar "$1" >evil.log 2>&1 &
    server=$!
    for i in $(seq 1200); do
        address=$(sed -n "s/^listening on //p" evil.log 2>/dev/null)
        [ -z "$address" ] && kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    cp old.jar file
    expect "$2" "$dxup" pull "$address" f file
    [ -z "${3:-}" ] || says "$3"
    [ "$2" = 0 ] && same new.jar file || same old.jar file
    stop_server
}
a_server_that_damages_packed_patches() {
    local at size
    has_packers || return
    expect 0 "$top/build/dxpatch" diff old.jar new.jar patch
    hostile patch 0 # the honest one
    size=$(stat -c %s patch)
    for at in 4 6 9 17 25 33 50 90 112 130 150 $((size / 2)) $((size - 1)) $(shuf --random-source=<(bytes 4096) -i 112-$((size - 1)) -n 6); do
        cp patch bad
        flip bad "$at"
        hostile bad 4
    done
    head -c $((size - 1000)) patch >bad
    hostile bad 4
    head -c 100 patch >bad
    hostile bad 4 "cannot be applied"
    head -c 150 patch >bad
    hostile bad 4 "not a patch"
    # Sizes that a header claims, with a valid checksum.
    for claim in 8:"other content" 16:"another version" 24:"too much memory" 48:"other content" 80:"another version"; do
        python3 "$top/tests/readers/container.py" claim patch "${claim%%:*}" bad || fail "no patch with another header"
        case $claim in 24:*) hostile bad 6 "${claim#*:}" ;; *) hostile bad 4 "${claim#*:}" ;; esac
    done
    expect 0 "$top/build/dxpatch" diff old.tgz new.jar bad --quiet
    hostile bad 4 # for another file, or no patch between containers
    { cat patch; head -c 3000000 /dev/zero; } >bad # larger than the file
    hostile bad 6 "too much memory"
}
a_flood_of_pings_on_every_connection() { # is answered within the connection's buffers, and costs no connection
    bytes 5000000 >new
    bytes 100 >old
    "$evil" ping-ranges old new >evil.log 2>&1 &
    server=$!
    for i in $(seq 1200); do
        address=$(sed -n "s/^listening on //p" evil.log 2>/dev/null)
        [ -z "$address" ] && kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    expect 0 "$dxup" pull "$address" app a --connections 2
    same new a
    stop_server
}
# So many bytes that a transfer is interrupted and not over.
large=200000000
[ -z "$sanitized" ] || large=80000000
a_killed_server() {
    bytes $large >f
    bytes 1000 >a
    cp a before
    expect 0 "$dxup" publish store f f
    for try in $(seq 30); do # until the kill is not too late
        cp before a
        start_server store
        "$dxup" pull "$address" f a --force >log 2>&1 &
        client=$!
        part_of_a
        kill -9 "$server"
        wait "$server" 2>/dev/null
        server=
        wait $client
        got=$?
        [ $got = 0 ] || break
        same f a
    done
    [ $got = 3 ] || fail "status $got: $(cat log)"
    same before a
    start_server store # with the same content: received data is kept, the rest is fetched
    expect 0 "$dxup" pull "$address" f a --force
    same f a
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
end_under() { # CLIENT...      a pull of f over a; the server is ended midway, and the client stopped. Sets $client
    local try i
    for try in $(seq 30); do # until the signal is not too late
        cp before a
        start_server store
        "$@" pull "$address" f a --force --connections $connections >log 2>&1 &
        client=$!
        much_of_a
        kill -STOP $client
        kill "$server"
        for i in $(seq 200); do # its listeners are closed soon
            out=$("$dxup" pull "$address" f b 2>&1) && break
            case $out in *refused*) break ;; esac
            sleep 0.05
        done
        case $out in *refused*) ;; *) fail "connected, after it had been ended: $out" ;; esac
        sleep 0.2 # one that does not wait would be gone
        kill -0 "$server" 2>/dev/null && cmp -s before a && return
        kill -CONT $client
        wait $client
        stop_server
    done
    fail "the server never waited for its client: $(cat log)"
    return 1
}
a_server_that_is_ended() { # finishes what has begun; new clients are refused
    bytes $large >large
    bytes 60000000 >small
    bytes 1000 >before
    make_plain
    # All in one transfer or in ranges, as earlier releases do; as objects, one request after another, on one connection and two.
    for how in plain ranges objects lanes; do
        connections=1
        ln -sf large f
        case $how in ranges | lanes) connections=2 ;; esac
        case $how in objects | lanes) ln -sf small f ;; esac
        rm -rf store .a.dxup .b.dxup b
        expect 0 "$dxup" publish store f f
        case $how in plain | ranges) end_under ./plain ;; *) end_under "$dxup" ;; esac || return
        if [ $how = ranges ]; then # another server takes over, and sends the rest
            "$dxup" serve store --listen "$address" >another.log 2>&1 &
            another=$!
            until grep -q "^listening on" another.log; do sleep 0.05; kill -0 $another || break; done
        fi
        kill -CONT $client
        wait $client
        got=$?
        [ $got = 0 ] || fail "$how: status $got: $(cat log)"
        same f a
        wait "$server"
        got=$?
        server=
        [ $got = 0 ] || fail "$how: the server ended with status $got: $(cat "$work/serve.log")"
        [ $how != ranges ] || { kill $another && wait $another; } || fail "the other one: $(cat another.log)"
    done
}
part_of_a() { # waits until $client has received something, or is at its end
    while kill -0 $client 2>/dev/null && [ ! -s .a.dxup-part ] && [ ! -s .a.dxup-sync/objects ]; do sleep 0.01; done
}
much_of_a() { # the same, and it has fetched some of it: a store has a head before anything is requested
    while kill -0 $client 2>/dev/null && [ ! -s .a.dxup-part ] && [ -z "$(find .a.dxup-sync/objects -size +1023k 2>/dev/null)" ]; do sleep 0.01; done
}
kill_in_time() { # ARGS...      a pull of f over a is killed before it is done
    local try
    for try in $(seq 30); do
        cp before a
        "$dxup" pull "$address" f a --force "$@" >log 2>&1 &
        client=$!
        part_of_a
        kill -9 $client
        wait $client 2>/dev/null
        cmp -s f a || break
    done
    same before a
}
# >>many connections
many_connections() { # transfer as many bytes as one, within 5 %: a file, a small one, one with holes, a tree; of a first copy and of an update
    local most n name counts="1 2 5 16 256"
    [ -z "$sanitized" ] || counts="1 5 256"
    mkdir t
    { seq 300000; bytes 5000001; } >f
    bytes 3000 >small
    bytes 1500000 >sparse
    truncate -s 60M sparse
    for n in $(seq 150); do { seq $n; echo "in $n"; bytes 3000; } >t/$n; done
    cp f t/f
    for name in f small sparse t; do
        expect 0 "$dxup" publish store $name $name
        cp -a $name $name.old
    done
    start_server store --workers 2
    as_many() { # DEST-BEFORE OUTCOME
        for n in $counts; do
            rm -rf a
            [ -z "$1" ] || cp -a "$1" a
            expect 0 "$dxup" pull "$address" $name a --report --connections $n
            [ "$(get outcome)" = "$2" ] || fail "$n connections: $out"
            [ $n != 1 ] || most=$(($(get wire) + $(get wire) / 20))
            [ "$(get wire)" -le "$most" ] || fail "$name over $n connections: $(get wire) bytes, over one not $most"
            [ -d a ] || same $name a
            [ ! -d a ] || same_tree $name a
        done
    }
    for name in f small sparse t; do as_many "" full; done
    [ "$(stat -c %b a/f)" != 0 ] || fail "nothing is there"
    printf 'something else' | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none
    { head -c 3000000 f.old; bytes 3000000; tail -c 3000000 f.old; } >f
    cp f t/f
    seq 12345 >t/100
    for name in f sparse t; do
        expect 0 "$dxup" publish store $name $name
        as_many $name.old patch
    done
    stop_server
    start_server store --patch-max 1000000 # the file as objects, too
    name=f
    as_many f.old patch
    expect 0 "$dxup" pull "$address" f a --report --connections 16
    [ "$(get outcome)" = unchanged ] || fail "$out"
    expect 1 "$dxup" pull "$address" f a --connections 0
    expect 1 "$dxup" pull "$address" f a --connections 257
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
connections_are_cut_in_the_middle() {
    bytes 24000001 >f
    expect 0 "$dxup" publish store f f
    start_server store --workers 2
    start_proxy 700000 0 3 # the first, which sent the request, and two others
    expect 0 "$dxup" pull "$address" f a --connections 6 --report
    same f a
    [ "$(get wire)" -lt 27000000 ] || fail "what had arrived was fetched again: $(get wire) bytes"
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    start_proxy 1500000 1 6 # all but the first, once each
    expect 0 "$dxup" pull "$address" f b --connections 4
    same f b
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    bytes 100 >c
    cp c before
    start_proxy 100 1 10000 # all but the first, always
    expect 3 "$dxup" pull "$address" f c --connections 4 --force
    says "the next pull resumes here"
    same before c
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    expect 0 "$dxup" pull "$address" f c --connections 4 --force
    same f c
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
cut_after() { # BYTES           pull f to a through a proxy that cuts the first connection
    start_proxy "$1" 0 1
    expect 3 "$dxup" pull "$address" f a --force
    same before a
    [ -s .a.dxup-part ] || fail "nothing was kept"
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
}
whole_again() { # KEPT-FROM KEPT-TO     fetches as much as was not kept
    local size=$(stat -c %s f)
    same f a
    [ "$(get outcome)" = full ] && [ "$(get kept)" -ge "$1" ] && [ "$(get kept)" -le "$2" ] &&
        [ $(($(get wire) + $(get kept))) -lt $((size + size / 50 + 2000)) ] || fail "$out"
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind: $(find . -name '*dxup-*' ! -name '*dxup-seen')"
    cp before a
}
a_pull_goes_on_where_it_was_cut() { # one of the whole file: of an earlier release, or with many connections
    local dxup=$dxup
    bytes 24000001 >f
    bytes 1000 >before
    cp before a
    expect 0 "$dxup" publish store f f
    start_server store
    make_plain
    dxup=./plain
    for n in 1 5; do
        cut_after 15000000
        expect 0 "$dxup" pull "$address" f a --force --report --connections $n
        whole_again 2000000 15000000
    done
    cut_after 15000000
    start_proxy 5000000 1 1 # requested on the first, the rest on the second, which is cut as well and reopened
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 2000000 15000000
    stop_proxy
    address=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/serve.log")
    cp f .a.dxup-part # it was killed between the last byte and the rename
    "$dxup" log store >log
    sed -n 's/.*\([0-9a-f]\{64\}\).*/\1/p' log | head -1 | tr -d '\n' >.a.dxup-part-of
    [ "$(stat -c %s .a.dxup-part-of)" = 64 ] || fail "no hash in: $(cat log)"
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 24000001 24000001
}
what_a_cut_pull_left_is_not_trusted() {
    local dxup=$dxup
    bytes 24000001 >f
    bytes 1000 >before
    cp before a
    expect 0 "$dxup" publish store f f
    start_server store
    make_plain
    dxup=./plain
    cut_after 15000000
    printf X | dd of=.a.dxup-part bs=1 seek=777777 conv=notrunc status=none
    expect 0 "$dxup" pull "$address" f a --force --report 2>log
    whole_again 0 0
    cut_after 15000000
    bytes 20000000 >>.a.dxup-part # longer than the whole
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 0 0
    cut_after 15000000
    : >.a.dxup-part-of
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 0 0
    cut_after 15000000
    bytes 20000001 >f # another version meanwhile
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 0 0
    cut_after 15000000
    bytes 500000 >f # one that comes in one piece
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" pull "$address" f a --force --report
    whole_again 0 0
    bytes 20000001 >f
    expect 0 "$dxup" publish store f f
    cut_after 15000000
    cp f a # a user provided it: unchanged, and the kept data is useless
    expect 0 "$dxup" pull "$address" f a --force --report
    [ "$(get outcome)" = unchanged ] && [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "$out $(find . -name '*dxup-*' ! -name '*dxup-seen')"
    cp before a
    cut_after 15000000
    rm a
    mkdir -p t/sub
    bytes 10 >t/sub/x
    expect 0 "$dxup" publish store f t --force # the name is a tree now
    expect 0 "$dxup" pull "$address" f a --force --report
    same_tree t a
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind: $(find . -name '*dxup-*' ! -name '*dxup-seen')"
}
a_server_with_few_connections() {
    bytes 16000001 >f
    expect 0 "$dxup" publish store f f
    start_server store --workers 1 --connections 3
    local times
    for times in 1 2 3 4 5; do # its own later connections may push the first one out of such a small server
        expect 0 "$dxup" pull "$address" f a$times --connections 16
        same f a$times
    done
    expect 0 "$dxup" pull "$address" f b # as clients did before there were many connections
    same f b
    stop_server
    start_server store --workers 1 --connections 1 # the requesting one leaves, so that another gets in
    expect 0 "$dxup" pull "$address" f c --connections 2
    same f c
}
a_killed_client_of_many_connections() {
    bytes 40000000 >f
    bytes 1000 >a
    cp a before
    expect 0 "$dxup" publish store f f
    start_server store
    kill_in_time --connections 4
    expect 0 "$dxup" pull "$address" f a --force --connections 4
    same f a
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
}
a_killed_client() {
    bytes $large >f
    bytes 1000 >a
    cp a before
    expect 0 "$dxup" publish store f f
    start_server store
    kill_in_time
    expect 0 "$dxup" pull "$address" f a --force
    same f a
    [ ! -e .a.dxup-part ] || fail "a part was left behind"
}
a_full_disk() {
    mkdir "$work/mnt1"
    mount -t tmpfs -o size=1m none "$work/mnt1" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return; }
    bytes 3000000 >f
    bytes 1000 >"$work/mnt1/a"
    cp "$work/mnt1/a" before
    expect 0 "$dxup" publish store f f
    start_server store
    expect 5 "$dxup" pull "$address" f "$work/mnt1/a" --force
    says "space"
    same before "$work/mnt1/a"
    [ "$(ls -A "$work/mnt1")" = a ] || fail "something was left behind: $(ls -A "$work/mnt1")"
    bytes 1000 >small
    expect 0 "$dxup" publish "$work/mnt1/store" s small
    expect 5 "$dxup" publish "$work/mnt1/store" f f
    says "space"
    expect 0 "$dxup" verify "$work/mnt1/store"
    expect 0 "$dxup" checkout "$work/mnt1/store" s out
    same small out
    head -c 100000 f >medium
    expect 0 "$dxup" publish "$work/mnt1/store" m medium
}
a_read_only_target() {
    mkdir "$work/mnt2"
    mount -t tmpfs -o size=1m none "$work/mnt2" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return; }
    bytes 1000 >f
    bytes 100 >"$work/mnt2/a"
    cp "$work/mnt2/a" before
    mount -o remount,ro "$work/mnt2"
    expect 0 "$dxup" publish store f f
    start_server store
    expect 5 "$dxup" pull "$address" f "$work/mnt2/a" --force
    says "ead-only"
    same before "$work/mnt2/a"
    expect 5 "$dxup" publish "$work/mnt2/store" f f
}
a_flipped_byte_anywhere() {
    bytes 30000 >one
    bytes 30000 >two
    expect 0 "$dxup" publish store one one
    expect 0 "$dxup" publish store two two
    size=$(stat -c %s store/objects)
    cp store/objects good
    for i in $(seq 60); do
        cp good store/objects
        flip_anywhere store/objects
        expect 4 "$dxup" verify store
        for n in one two; do
            if "$dxup" checkout store $n out --quiet >/dev/null 2>&1; then same $n out; fi
            rm -f out
        done
        [ $bad = 0 ] || { echo "     the byte was number $at of $size"; break; }
    done
    cp good store/objects
    at=$(LC_ALL=C grep -obUaP "$(head -c 8 two | od -An -tx1 | sed 's/ /\\x/g')" store/objects | head -1 | cut -d: -f1)
    if [ -n "$at" ]; then # inside two's bytes: one is still served, two is an error
        printf 'XX' | dd of=store/objects bs=1 seek=$((at + 3)) conv=notrunc status=none
        start_server store
        expect 0 "$dxup" pull "$address" one a
        same one a
        cp one b
        "$dxup" pull "$address" two b --force >log 2>&1 && fail "a damaged version was served"
        same one b
    fi
}
a_truncated_store() {
    bytes 30000 >one
    expect 0 "$dxup" publish store one one
    size=$(stat -c %s store/objects)
    cp store/index index
    bytes 30000 >two
    expect 0 "$dxup" publish store two two
    truncate -s $((size + 1000)) store/objects
    expect 4 "$dxup" verify store # the index knows of a commit that the store has lost
    says "commit that the index knows and the log has lost"
    expect 0 "$dxup" checkout store one out # and whatever is there is intact
    same one out
    { cat index; bytes 50; } >store/index # a power cut during a publish leaves this
    expect 0 "$dxup" verify store
    says "the index ends at byte"
    expect 0 "$dxup" checkout store one out
    same one out
    expect 2 "$dxup" checkout store two out2
    expect 0 "$dxup" publish store two two
    expect 0 "$dxup" verify store
    expect 0 "$dxup" checkout store two out2
    same two out2
}
ended_by_ctrl_c() { # FILE COMMAND...      SIGINT when FILE has content, as from a terminal: the shell's own background jobs ignore it
    python3 - "$@" <<'END'
import os, signal, subprocess, sys, time
p = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
def size(path):
    try:
        with os.scandir(path) as entries:
            return sum(size(e.path) for e in entries)
    except NotADirectoryError:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
while p.poll() is None and size(sys.argv[1]) < 1:
    time.sleep(0.001)
p.send_signal(signal.SIGINT)
sys.exit(p.wait() != -signal.SIGINT)
END
}
interrupt_each() {
    bytes 60000000 >big
    mkdir tree
    bytes 60000000 | split -b 10000000 - tree/f
    echo before >out
    ended_by_ctrl_c store/objects "$dxup" publish store big big || return
    expect 0 "$dxup" verify store
    says "0 versions"
    echo small >small
    expect 0 "$dxup" publish store small small
    [ "$(du -sb store | cut -f1)" -lt 100000 ] || fail "what publish left is still there: $(du -sb store)"
    expect 0 "$dxup" publish store big big
    expect 0 "$dxup" publish store tree tree
    ended_by_ctrl_c .out.dxup-part "$dxup" checkout store big out || return
    [ "$(cat out)" = before ] || fail "out is half"
    expect 0 "$dxup" checkout store big out
    same big out
    ended_by_ctrl_c .there.dxup-part "$dxup" checkout store tree there || return
    [ ! -e there ] || fail "there is half"
    expect 0 "$dxup" checkout store tree there
    same_tree tree there
    start_server store
    rm -rf out there
    ended_by_ctrl_c .out.dxup-part "$dxup" pull "$address" big out || return
    [ ! -e out ] || fail "out is half"
    expect 0 "$dxup" pull "$address" big out --report
    [ "$(get kept)" -gt 0 ] || fail "it did not go on: $out"
    same big out
    ended_by_ctrl_c .there.dxup-sync "$dxup" pull "$address" tree there || return
    [ ! -e there ] || fail "there is half"
    expect 0 "$dxup" pull "$address" tree there
    same_tree tree there
    [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "left: $(find . -name '*dxup-*' ! -name '*dxup-seen')"
    ended_by_ctrl_c store/objects.new "$dxup" gc store --keep 1 || return
    expect 0 "$dxup" verify store
    says "3 versions"
    expect 0 "$dxup" gc store --keep 1
    [ ! -e store/objects.new ] || fail "what gc left is still there"
    interrupted=1
}
ctrl_c_and_again() { # as README.md promises: nothing is half done, and the command can be repeated
    local try interrupted=0
    command -v python3 >/dev/null || { skip "no python3"; return; }
    for try in $(seq 5); do # until no command is faster than its signal
        interrupt_each
        [ $interrupted = 0 ] && [ "$bad" = 0 ] || return
        stop_server
        rm -rf store big small tree out there .??*
    done
    fail "the commands were not ended by the signal"
}
publish_killed_at_any_moment() {
    bytes 2000000 >base
    expect 0 "$dxup" publish store f base
    good=1
    for i in $(seq 40); do
        { bytes 1500000; tail -c 500000 base; } >next
        "$dxup" publish store f next --quiet &
        moment 30
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        expect 0 "$dxup" verify store
        expect 0 "$dxup" checkout store f out
        if cmp -s out next; then good=$((good + 1)); cp next base; else same base out; fi
        [ "$("$dxup" log store f | wc -l)" = $good ] || fail "the log does not have $good versions"
        [ $bad = 0 ] || break
    done
    expect 0 "$dxup" publish store f next
    echo "     $((good - 1)) of 40 publications were complete before the kill"
}
two_writers() {
    local try first held
    bytes 100000000 >f
    bytes 100 >g
    for try in $(seq 30); do # until the first is stopped before its end
        rm -rf store .a.dxup .b.dxup b
        "$dxup" publish store f f >log 2>&1 &
        first=$!
        while kill -0 $first 2>/dev/null && [ ! -s store/objects ]; do sleep 0.01; done
        kill -STOP $first 2>/dev/null
        held=$(stat -c %s store/objects)
        [ "$held" -lt 100000000 ] && break
        kill -CONT $first 2>/dev/null
        wait $first
    done
    expect 6 "$dxup" publish store g g
    says "another process"
    kill -CONT $first
    wait $first || fail "the first writer failed: $(cat log)"
    expect 0 "$dxup" publish store g g
    expect 0 "$dxup" verify store
}
collection() {
    make_versions
    for i in 1 2 3 4; do
        bytes 200000 >"v$i"
        expect 0 "$dxup" publish store app "v$i"
    done
    expect 0 "$dxup" publish store other old
    start_server store
    expect 0 "$dxup" pull "$address" app a
    before=$(stat -c %s store/objects)
    expect 0 "$dxup" gc store
    expect 0 "$dxup" checkout store app@1 out
    same v1 out
    expect 0 "$dxup" gc store --keep 2
    [ "$(stat -c %s store/objects)" -lt $((before - 350000)) ] || fail "nothing was given back"
    expect 0 "$dxup" verify store
    expect 2 "$dxup" checkout store app@2 out
    expect 0 "$dxup" checkout store app@3 out
    same v3 out
    expect 0 "$dxup" publish store app new
    says "app@5"
    expect 0 "$dxup" pull "$address" app a # the server follows the new file
    same new a
    expect 0 "$dxup" pull "$address" other b
    same old b
    [ "$(ls -I index store)" = "$(printf 'lock\nobjects')" ] || fail "left behind: $(ls store)"
}
a_collected_store_keeps_its_owner() { # and its mode, whoever collects it with whatever umask; or nothing changes
    local as= other= rights before
    has() { [ "$(stat -c '%a %u:%g' store/objects store/index | sort -u)" = "$rights" ] || fail "$1: $(stat -c '%n %a %u:%g' store/*)"; }
    bytes 5000 >f
    for i in 1 2 3; do
        echo $i >>f
        expect 0 "$dxup" publish store app f
    done
    chmod 644 store/objects store/index
    if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
        chmod 755 "$work" .
        chown -R 65534:65534 store
        as="setpriv --reuid=65534 --regid=65534 --clear-groups"
        other="setpriv --reuid=12345 --regid=12345 --clear-groups"
    fi
    rights=$(stat -c '%a %u:%g' store/objects)
    (umask 077; expect 0 "$dxup" gc store; exit $bad) || bad=1
    has gc
    (umask 077; expect 0 "$dxup" gc store --keep 2; exit $bad) || bad=1
    has "gc --keep"
    if [ -n "$as" ]; then
        expect 0 $as "$dxup" publish store app f
        chmod 777 store
        chmod 666 store/*
        rights=$(stat -c '%a %u:%g' store/objects)
        before=$(cksum <store/objects)
        expect 6 $other "$dxup" gc store --keep 1
        says "the owner and group of store/objects cannot be kept"
        [ "$(cksum <store/objects)" = "$before" ] || fail "the store was changed"
        [ "$(ls store)" = "$(printf 'index\nlock\nobjects')" ] || fail "left behind: $(ls store)"
        has "a refused gc"
    fi
    expect 0 "$dxup" verify store
}
gc_killed_at_any_moment() {
    bytes 3000000 >f
    expect 0 "$dxup" publish store f f
    for i in $(seq 15); do
        "$dxup" gc store --quiet &
        moment 30
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        expect 0 "$dxup" verify store
        expect 0 "$dxup" checkout store f out
        same f out
    done
    expect 0 "$dxup" gc store
    [ ! -e store/objects.new ] || fail "left behind"
}
a_hostile_tree_in_the_store() { # bytes published as a file are no tree, and cannot become one
    printf 'DXTREE1\n' >f
    expect 0 "$dxup" publish store f f
    expect 0 "$dxup" checkout store f out
    same f out
}
the_demo() {
    cd "$top" || return
    expect 0 make -s demo
    says "unchanged"
    says "rsync -z"
    says "byte for byte"
}

the_demo_of_other_files() { # fifos, sockets, links to nowhere; a file that differs is named
    make_tree 1.0
    make_tree 1.1
    echo more >>1.1/sub/a.c
    for dir in 1.0 1.1; do
        mkfifo "$dir/sub/pipe"
        python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$dir/socket"
    done
    [ "$(id -u)" != 0 ] || mknod 1.1/null c 1 3 2>/dev/null
    expect 0 env DXUP="$dxup" "$top/programs/dxup/demo.sh" "$PWD/1.0" "$PWD/1.1"
    says "byte for byte"
    cat >meddling <<END
#!/bin/sh
"$dxup" "\$@" || exit
[ "\$1" != pull ] || { cd "\$4" && eval "\$MEDDLE"; }
END
    chmod 755 meddling
    meddled() { # COMMAND FINDING
        expect 1 env DXUP="$PWD/meddling" MEDDLE="$1" "$top/programs/dxup/demo.sh" "$PWD/1.0" "$PWD/1.1"
        says "the pulled files (app) differ from the published ones (new): $2"
    }
    meddled "echo x >>sub/a.c" "Files new/sub/a.c and app/sub/a.c differ"
    meddled "rm sub/pipe; echo >sub/pipe" "File new/sub/pipe is a fifo while file app/sub/pipe is a regular file"
    meddled "rm sub/pipe" "Only in new/sub: pipe"
    meddled "ln -sf elsewhere dangling" "Symbolic links new/dangling and app/dangling differ"
}

names_that_a_terminal_would_obey() { # every message escapes them, none passes them on
    local evil=$'a\033[31m\x9b2J\xc2\x9b\t\r\n\x7fb\xe2\x80\xaec' path name
    make_versions
    mkdir "d$evil"
    path=d$evil/f$evil
    cp old "$path"
    cp old "d$evil/Ã¤"
    {
        "$dxup" publish "store$evil" app "$path"
        "$dxup" publish "store$evil" app "d$evil" --force
        "$dxup" publish "store$evil" "app$evil" "$path"
        "$dxup" publish "store$evil" app "no$evil"
        "$dxup" publish "store$evil" app@1 "$path"
        "$dxup" log "store$evil"
        "$dxup" log "store$evil" app
        "$dxup" log "store$evil" "none$evil"
        "$dxup" checkout "store$evil" app "out$evil"
        "$dxup" checkout "store$evil" app@1 "$path/x"
        "$dxup" checkout "store$evil" "none$evil" "out$evil"
        "$dxup" verify "store$evil"
        "$dxup" verify "no$evil"
        "$dxup" gc "store$evil" --keep 1
        "$dxup" serve "store$evil" --listen "x$evil"
        "$dxup" serve "store$evil" --listen 127.0.0.1:0 --backend "x$evil"
        "$dxup" "x$evil"
        mkfifo "pipe$evil"
        "$dxup" publish "store$evil" app "pipe$evil"
        start_server "store$evil"
        "$dxup" pull "$address" app "got$evil"
        "$dxup" pull "$address" app "got$evil" --report
        "$dxup" pull "$address" "none$evil" "got$evil"
        "$dxup" pull "$address" app "no$evil/x"
        touch "got$evil/more" || fail "nothing was pulled"
        "$dxup" pull "$address" app "got$evil"
        "$dxup" pull "x$evil" app "got$evil"
        printf ZZZZ | dd of="store$evil/objects" bs=1 seek=20000 conv=notrunc status=none
        "$dxup" verify "store$evil"
        "$dxup" checkout "store$evil" app "again$evil"
    } >messages 2>&1
    stop_server
    [ "$(wc -l <messages)" -ge 25 ] || fail "few messages: $(cat -v messages)"
    [ "$(grep -c '\\x1b\[31m\\x9b2J\\xc2\\x9b\\x09\\x0d\\x0a\\x7fb\\xe2\\x80\\xaec' messages)" -ge 15 ] || fail "not shown: $(cat -v messages)"
    LC_ALL=C grep -naP '[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]' messages | cat -v >raw
    [ ! -s raw ] || fail "raw: $(head -n 5 raw)"
}

a_server_that_is_behind() { # its store is an older copy of the one that was pulled from, or another one
    local kind again status
    for kind in file tree; do
        make_versions
        rm -rf store older other in got .got.dxup
        if [ $kind = tree ]; then
            mkdir in && mv old new in
        else
            mv new in
        fi
        expect 0 "$dxup" publish store app in
        cp -r store older
        if [ $kind = tree ]; then echo more >in/more; else echo more >>in; fi
        expect 0 "$dxup" publish store app in
        cp -r older other
        if [ $kind = tree ]; then echo other >in/more; else echo other >>in; fi
        expect 0 "$dxup" publish other app in
        start_server store
        expect 0 "$dxup" pull "$address" app got
        expect 0 "$dxup" pull "$address" app got --report
        [ "$(get version) $(get outcome)" = "2 unchanged" ] || fail "$out"
        stop_server
        cp -rp got kept
        start_server older
        for again in 1 2; do
            expect 6 "$dxup" pull "$address" app got
            says "version 2"
            says "--force"
            diff -r kept got || fail "got was changed"
        done
        printf damaged >.got.dxup # then there is no way to know: whatever the server does not know counts as changed
        expect 6 "$dxup" pull "$address" app got
        says "changed locally"
        stop_server
        start_server store
        expect 0 "$dxup" pull "$address" app got --report
        [ "$(get version)" = 2 ] || fail "$out"
        stop_server
        start_server other
        expect 6 "$dxup" pull "$address" app got
        says "another one"
        diff -r kept got || fail "got was changed"
        stop_server
        start_server older
        expect 6 "$dxup" pull "$address" app got
        expect 0 "$dxup" pull "$address" app got --force --report
        [ "$(get version)" = 1 ] || fail "$out"
        expect 0 "$dxup" pull "$address" app got --report
        [ "$(get version) $(get outcome)" = "1 unchanged" ] || fail "$out"
        stop_server
        start_server store
        expect 0 "$dxup" pull "$address" app got --report
        [ "$(get version)" = 2 ] || fail "$out"
        stop_server
        start_server older
        rm -rf got # a missing destination cannot become older
        expect 0 "$dxup" pull "$address" app got --report
        [ "$(get version)" = 1 ] || fail "$out"
        stop_server
        [ -z "$(find . -name '*dxup-*' ! -name '*dxup-seen')" ] || fail "something was left behind"
        rm -rf kept
    done
}

what_is_not_kept_is_said() { # one line per kind, with a count; nothing else is reported
    mkdir -p in/shared in/plain
    bytes 5000 >in/tool
    bytes 5000 >in/plain/other
    expect 0 "$dxup" publish store app in
    [ "$(echo "$out" | grep -c 'not kept')" = 0 ] || fail "$out"
    chmod 6755 in/tool
    chmod 3777 in/shared
    ln in/plain/other in/again
    ln in/plain/other in/third
    truncate -s 10M in/hole
    printf end >>in/hole
    for again in 1 2; do # unchanged or not: a directory keeps all of these
        "$dxup" publish store app in --quiet >said 2>&1 || fail "status $?: $(cat said)"
        [ ! -s said ] || fail "$(cat said)"
    done
    expect 0 "$dxup" checkout store app out
    [ "$(stat -c %a out/tool out/shared | tr '\n' ' ')" = "6755 3777 " ] || fail "modes: $(stat -c %a out/tool out/shared)"
    [ "$(stat -c %h out/again)" = 3 ] || fail "a hard link was lost"
    same in/hole out/hole
    python3 -c 'import socket; [socket.socket(socket.AF_UNIX).bind("in/plain/s%d" % i) for i in (1, 2)]'
    expect 0 "$dxup" publish store app in
    says "sockets (2; the first is plain/s1)"
    expect 0 "$dxup" publish store hole in/hole # a file is its bytes
    says "holes (in 1;"
    expect 0 "$dxup" publish store tool in/tool
    says "bits (of 1)"
    expect 0 "$dxup" publish store third in/third
    [ "$(echo "$out" | grep -c 'not kept')" = 0 ] || fail "$out"
}

names_of_hosts() { # all addresses of one are tried
    local port wrong
    getent hosts localhost >/dev/null || { skip "this system does not know localhost"; return; }
    make_versions
    expect 0 "$dxup" publish one app old
    start_server one
    port=${address##*:}
    expect 0 "$dxup" pull "localhost:$port" app out
    same old out
    expect 3 "$dxup" pull "a..b:$port" app out
    says "a..b:$port: "
    for wrong in localhost localhost: localhost:70000 "localhost:7x" :7000 ::1:7000; do
        expect 1 "$dxup" pull "$wrong" app out
        says "HOST:PORT"
    done
    printf '%s several.test\n' ::1 127.0.0.3 127.0.0.2 127.0.0.1 >hosts
    if unshare -m sh -c "mount --bind hosts /etc/hosts && getent ahosts several.test | grep -q ^127.0.0.2" 2>/dev/null; then
        rm -f out
        expect 0 unshare -m sh -c "mount --bind hosts /etc/hosts && exec '$dxup' pull several.test:$port app out"
        same old out
        expect 3 unshare -m sh -c "mount --bind hosts /etc/hosts && exec '$dxup' pull several.test:1 app out"
        says "refused"
    fi
    stop_server
}

a_unix_socket() { # one server on it, too; leftovers of a killed one do not block the next
    local i
    make_versions
    expect 0 "$dxup" publish one app old
    expect 0 "$dxup" publish two app new
    start_server one --listen "unix:$PWD/socket"
    [ -S socket ] || fail "no socket"
    expect 5 timeout 20 "$dxup" serve two --listen "unix:$PWD/socket"
    says "cannot listen"
    rm -f out
    expect 0 "$dxup" pull "unix:$PWD/socket" app out
    same old out
    kill -9 "$server"
    wait "$server" 2>/dev/null
    for i in $(seq 100); do # the kernel closes io_uring's descriptors a moment later
        "$dxup" pull "unix:$PWD/socket" app out 2>&1 | grep -q refused && break
        sleep 0.05
    done
    expect 3 "$dxup" pull "unix:$PWD/socket" app out
    says "refused"
    start_server two --listen "unix:$PWD/socket"
    expect 0 "$dxup" pull "unix:$PWD/socket" app out --force
    same new out
    stop_server
    touch plain
    expect 5 "$dxup" serve two --listen "unix:$PWD/plain"
    [ -f plain ] || fail "a file that is no socket is gone"
    expect 1 "$dxup" pull unix: app out
}

two_servers_on_one_port() { # only one of them, whatever the number of listening threads
    local first second
    make_versions
    expect 0 "$dxup" publish one app old
    expect 0 "$dxup" publish two app new
    for first in 1 3; do
        start_server one --workers $first
        for second in 1 2; do
            expect 5 timeout 20 "$dxup" serve two --listen "$address" --workers $second
            says "cannot listen"
        done
        expect 5 timeout 20 "$dxup" serve two --listen 127.0.0.1:0 --http "$address"
        rm -f out
        expect 0 "$dxup" pull "$address" app out
        same old out
        stop_server
    done
    for second in 1 2 3 4 5 6; do # both at once: exactly one may have it
        timeout 60 "$dxup" serve one --listen "$address" --workers 3 >log1 2>&1 &
        first=$!
        timeout 60 "$dxup" serve two --listen "$address" --workers 3 >log2 2>&1 &
        second=$!
        while [ "$(cat log1 log2 | grep -c listen)" -lt 2 ]; do
            kill -0 $first 2>/dev/null || kill -0 $second 2>/dev/null || break # or neither will report it
            sleep 0.02
        done
        [ "$(cat log1 log2 | grep -c '^listening')" = 1 ] || fail "not one that listens: $(cat log1 log2)"
        kill $first $second 2>/dev/null
        wait $first $second
    done
}

two_pulls_into_one_destination() { # each is done or refused, the destination is right, and a killed one blocks nobody
    local i first second pairs=60 both=0 refused=0 killed=0 what
    [ -z "$sanitized" ] || pairs=20
    [ "${DX_TIER:-}" != native ] || pairs=8
    make_tree tree
    bytes 300000 >tree/data
    expect 0 "$dxup" publish store tree tree
    expect 0 "$dxup" publish store file tree/data
    start_server store
    for i in $(seq $pairs); do
        case $((i % 4)) in 0 | 1) what=tree ;; *) what=file ;; esac
        [ $((i % 3)) != 0 ] || rm -rf out.*
        [ $((i % 3)) != 1 ] || [ ! -e out.$what ] || { [ $what = tree ] && rm -f out.tree/data; } || : >out.file
        "$dxup" pull "$address" $what out.$what --force >log1 2>&1 &
        first=$!
        moment 15
        "$dxup" pull "$address" $what out.$what --force >log2 2>&1
        second=$?
        wait $first
        first=$?
        case $first$second in 00) both=$((both + 1)) ;; 06 | 60) refused=$((refused + 1)) ;; *) fail "pair $i: $first and $second: $(cat log1 log2)" ;; esac
        [ $what = file ] || same_tree tree out.tree
        [ $what = tree ] || same tree/data out.file
        [ -z "$(find . -maxdepth 1 -name '.out.*-lock' -o -maxdepth 1 -name '.out.*-part')" ] || fail "pair $i left: $(ls -A)"
        [ $bad = 0 ] || return
    done
    for i in $(seq $((pairs / 4))); do
        rm -rf out.tree
        "$dxup" pull "$address" tree out.tree >log1 2>&1 &
        first=$!
        while kill -0 $first 2>/dev/null && [ ! -e .out.tree.dxup-lock ]; do :; done
        kill -9 $first 2>/dev/null
        wait $first 2>/dev/null
        [ ! -e .out.tree.dxup-lock ] || killed=$((killed + 1))
        expect 0 "$dxup" pull "$address" tree out.tree --force
        same_tree tree out.tree
        [ ! -e .out.tree.dxup-lock ] || fail "the lock of a killed pull is still there"
    done
    echo "     $pairs pairs: of $both both were done, of $refused one was refused; $killed locks of killed pulls"
    [ $killed -gt 0 ] || fail "no pull was killed with its lock"
}

for case in publish_and_checkout_a_file unchanged_content_adds_nothing publish_and_checkout_a_tree a_store_is_neither_replaced_nor_published readers_open_a_store_that_is_being_written \
    an_empty_file_and_an_empty_tree a_file_becomes_a_tree_only_by_hand bad_command_lines options_that_a_command_does_not_know missing_things a_name_of_another_kind \
    pull_full_patch_unchanged pull_a_tree pull_sees_what_is_published_meanwhile \
    a_file_that_was_changed_is_not_replaced what_the_last_pull_left_is_no_change a_command_runs_after_a_change a_pull_takes_its_time watch_follows_a_server a_server_that_logs options_in_a_file a_hostile_configuration a_server_reads_its_configuration_again a_server_that_stops a_log_that_is_renamed a_log_on_a_full_disk a_log_that_nobody_reads many_clients_at_once modes_are_kept a_link_stays_a_link a_dangling_link_is_not_replaced large_versions_are_patched_by_chunks \
    a_gigabyte_in_64_megabytes a_big_endian_machine a_big_endian_machine_of_32_bits an_arm_of_32_bits a_pc_of_32_bits \
    a_tree_is_read_once a_tree_is_looked_at_on_all_cores what_was_seen_is_only_a_hint trees_of_every_shape trees_that_cannot_be_published \
    links_swapped_in_while_a_tree_is_restored a_first_publish_that_fails_leaves_no_store a_store_is_not_pulled_over a_tree_publish_killed_at_any_moment a_flipped_byte_in_a_tree versions_of_a_tree_as_deltas versions_of_a_file_as_deltas a_packed_store trees_as_streams_in_the_same_store \
    no_server_and_no_such_name two_servers_on_one_port names_of_hosts a_unix_socket what_is_not_kept_is_said a_server_that_is_behind names_that_a_terminal_would_obey a_server_that_lies peers_of_other_versions_of_the_protocol a_patch_of_words_is_no_dearer_than_streams what_is_packed_is_patched a_packed_patch_by_ranges making_a_patch_takes_little_memory other_libraries_pack_otherwise a_server_that_damages_packed_patches a_flood_of_pings_on_every_connection a_killed_server a_server_that_is_ended a_killed_client two_pulls_into_one_destination many_connections \
    connections_are_cut_in_the_middle a_pull_goes_on_where_it_was_cut what_a_cut_pull_left_is_not_trusted a_server_with_few_connections a_killed_client_of_many_connections \
    a_full_disk a_read_only_target a_flipped_byte_anywhere a_truncated_store ctrl_c_and_again publish_killed_at_any_moment \
    two_writers collection a_collected_store_keeps_its_owner gc_killed_at_any_moment a_hostile_tree_in_the_store the_demo_of_other_files the_demo; do
    # With sanitizers these are slow, and their memory use is meaningless.
    case $dxup:$case in *asan*:a_gigabyte* | *asan*:making_a_patch* | *asan*:a_big_endian* | *asan*:an_arm* | *asan*:a_pc* | *asan*:the_demo | \
        *asan*:many_connections | *asan*:publish_killed*) continue ;; esac
    # Other machines belong to the other tier: their compilers and emulators are not installed here. So do slow cases.
    case ${DX_TIER:-}:$case in native:a_big_endian* | native:an_arm* | native:a_pc* | native:a_gigabyte* | native:links_swapped* | native:trees_of_every* | native:trees_as_streams* | \
        native:what_a_cut_pull* | native:a_server_that_is_ended | native:connections_are_cut* | native:many_connections | native:a_pull_goes_on* | \
        native:publish_killed* | native:the_demo | native:a_packed_patch_by_ranges | native:a_server_that_damages* | \
        native:a_killed_client | native:a_killed_server | native:a_tree_is_read_once | native:a_log_that_nobody_reads | \
        native:making_a_patch* | native:ctrl_c_and_again | native:a_tree_publish_killed* | native:a_log_on_a_full_disk | native:the_demo_of_other* | \
        native:what_is_packed* | native:a_patch_of_words* | native:other_libraries*) continue ;; esac
    run $case
done
finish
