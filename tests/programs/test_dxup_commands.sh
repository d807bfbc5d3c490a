#!/bin/bash
# The commands of dxup at a terminal: what they print, what they refuse, their help, manual pages and completions.
# usage: test_dxup_commands.sh [FILTER...]      as test_dxup.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
craft=$PWD/build/dxup_craft
. tests/programs/kit.sh
dxpatch=${dxup%dxup}dxpatch dxecho=${dxup%dxup}dxecho dxkeep=${dxup%dxup}dxkeep dxwan=${dxup%dxup}dxwan
programs="$dxup $dxpatch $dxecho $dxkeep $dxwan"

# >>version and help
versions_in_the_same_words() {
    for program in $programs; do
        expect 0 "$program" --version
        long=$out
        expect 0 "$program" -V
        [ "$out" = "$long" ] || fail "-V: $out"
        # Each optional part of a program, in the same order: with its version, or that it is not there. dxecho has none.
        case ${program##*/} in
            dxup) parts="zlib zstd liblzma toml++" ;;
            dxpatch) parts="zlib zstd liblzma" ;;
            dxkeep) parts="zlib zstd liblzma fuse sqlite" ;;
            dxwan) parts="zstd TLS toml++" ;;
            *) parts= ;;
        esac
        [[ $out =~ ^${program##*/}\ [0-9]+\.[0-9]+\.[0-9]+(\ \(.*\))?$ ]] || fail "$out"
        said=$(sed -n 's/.* (\(.*\))$/\1/p' <<<"$out" | sed 's/OpenSSL [0-9]/TLS /; s/, no /, /g; s/^no //; s/ [0-9][0-9a-z.]*//g; s/ [.][0-9a-z.]*//g; s/,//g')
        [ "$said" = "$parts" ] || fail "the parts of ${program##*/} are '$said' instead of '$parts': $out"
        for library in "libz zlib" libzstd\ zstd "liblzma liblzma" "libfuse3 fuse" "libsqlite3 sqlite"; do # each that is linked is named, with its version
            ldd "$program" 2>/dev/null | grep -q "^[[:space:]]*${library% *}\.so" || continue
            [[ $out =~ [\(\ ]${library#* }\ [0-9]+\.[0-9.]*[0-9](,|\)) && ! $out =~ no\ ${library#* } ]] || fail "no ${library#* } in: $out"
        done
    done
    # `make all` ends with what dxkeep lacks, in the same words for each library that -V does not have.
    lacks=$(cd "$top" && make -s left-out-of-dxkeep ZSTD=0 FUSE=0 SQLITE=0)
    [[ $lacks == *"libzstd-dev"*"libfuse3-dev"*"libsqlite3-dev)" ]] || fail "of a dxkeep without libraries: $lacks"
    [ -z "$(cd "$top" && make -s left-out-of-dxkeep ZSTD=1 FUSE=1 SQLITE=1)" ] || fail "nothing is missing"
    expect 0 "$dxkeep" -V
    lacks=$(cd "$top" && make -s left-out-of-dxkeep)
    for library in "zstd libzstd-dev" "fuse libfuse3-dev" "sqlite libsqlite3-dev"; do
        [[ $out == *"no ${library% *}"* && $lacks != *"${library#* }"* || $out != *"no ${library% *}"* && $lacks == *"${library#* }"* ]] &&
            fail "make says '$lacks', dxkeep -V '$out'"
    done
    # And with what dxwan lacks.
    lacks=$(cd "$top" && make -s left-out-of-dxwan ZSTD=0 TLS=0 TOML=0)
    [[ $lacks == "left out of dxwan: "*"libzstd-dev"*"libssl-dev"*"libtomlplusplus-dev)" ]] || fail "of a dxwan without libraries: $lacks"
    [ -z "$(cd "$top" && make -s left-out-of-dxwan ZSTD=1 TLS=1 TOML=1)" ] || fail "dxwan lacks nothing"
    expect 0 "$dxwan" -V
    lacks=$(cd "$top" && make -s left-out-of-dxwan)
    for library in "zstd libzstd-dev" "TLS libssl-dev" "toml++ libtomlplusplus-dev"; do
        [[ $out == *"no ${library% *}"* && $lacks != *"${library#* }"* || $out != *"no ${library% *}"* && $lacks == *"${library#* }"* ]] &&
            fail "make says '$lacks', dxwan -V '$out'"
    done
    lacks=$(cd "$top" && make -n all ZSTD=0 TLS=0 TOML=0 DXDB=0 | tail -8)
    [[ $lacks == *"left out of dxkeep: "*"left out of dxwan: "* ]] || fail "make all says nothing of dxwan: $lacks"
    case $("$dxup" --version) in *"(zstd"*) grep -q ZSTD_compress2 "$dxup" || fail "there is no zstd in it" ;; esac
}
help_of_each_command() {
    for program in $programs; do
        tool=${program##*/}
        expect 0 "$program" help
        commands=$(echo "$out" | sed -n "s/^  $tool \([a-z-]*\).*/\1/p")
        [ "$tool" = dxecho ] || [ "$(echo "$commands" | wc -l)" -ge 2 ] || fail "$tool has no commands: $out"
        expect 0 "$program" --help
        for command in $commands ''; do
            [ -n "$command" ] || [ "$tool" = dxecho ] || continue
            expect 0 "$program" help $command
            helped=$out
            for part in "usage: $tool $command" Examples: "Exit status:" "  0  done"; do says "$part"; done
            [ -z "$command" ] || expect 0 "$program" $command --help
            [ "$out" = "$helped" ] || fail "$tool $command --help differs from $tool help $command"
            echo "$out" | grep -q '\\x' && fail "a control character in the help: $out"
            case $tool in dxup | dxkeep) columns=80 ;; *) columns=100 ;; esac
            [ -z "$(echo "$out" | awk "length(\$0) > $columns")" ] || fail "$tool help $command: a line of more than $columns columns"
            for option in $(echo "$out" | sed -n 's/^  \(--[a-z-]*\).*/\1/p'); do # the parser knows what the help shows
                "$program" $command $option </dev/null 2>&1 | grep -q "has no option" && fail "$tool $command: $option"
            done
        done
    done
}
# Each topic that the help lists is explained, and is a section of the manual page with the same text.
topics_of_the_help() {
    expect 0 "$dxkeep" help
    topics=$(echo "$out" | sed -n '/^Topics:/,/^$/s/^  \([a-z]*\)  .*/\1/p')
    [ "$(echo "$topics" | wc -l)" -ge 5 ] || fail "few topics: $topics"
    "$dxkeep" help --as man | tr -d '\\' >page.1
    for topic in $topics; do
        expect 0 "$dxkeep" help "$topic"
        [ "$(echo "$out" | wc -l)" -gt 5 ] || fail "help $topic: $out"
        [ -z "$(echo "$out" | awk 'length($0) > 80')" ] || fail "help $topic: a line of more than 80 columns"
        grep -qx "\.SH $(echo "$topic" | tr a-z A-Z)" page.1 || fail "no section $topic in the manual page"
        while IFS= read -r line; do
            tr -d '\\' <<<"$line" | grep -qxF -f - page.1 || fail "not in the manual page: $line"
        done < <(echo "$out" | sed '1,2d; /^$/d')
    done
    for command in ls cat diff restore pin replay; do
        expect 0 "$dxkeep" help $command
        says "dxkeep help moment"
    done
    expect 1 "$dxkeep" help momnet
    says "did you mean 'moment'?"
    expect 1 "$dxkeep" moment # a topic is no command
    says "there is no command 'moment'"
}
# An option whose effect depends on the command is explained for that command.
options_by_command() {
    shown() { # COMMAND OPTION TEXT
        "$dxkeep" help $1 | grep -A2 "^  $2 " | tr '\n' ' ' | tr -s ' ' | grep -q -- "$3" || fail "dxkeep help $1: $2 is not '$3'"
    }
    shown restore --remote "restore from"
    shown daemon --remote "send every version"
    shown export --force "replace FILE"
    shown record --name "(default record)"
    shown log --name "(default dir;"
    for command in verify pin mount; do
        "$dxkeep" help $command | grep -q "change while they are read" && fail "dxkeep help $command: --quiet"
    done
    for command in run daemon restore; do "$dxkeep" help $command | grep -q "^  3  .*the remote" || fail "dxkeep help $command: no status 3"; done
    "$dxkeep" help log | grep -q "^  3  " && fail "dxkeep help log: status 3"
}
questions_that_have_no_answer() {
    for program in $programs; do
        expect 1 "$program"
        says "Exit status:"
        expect 1 "$program" help $'no\e[31msuch'
        says 'no\x1b[31msuch'
        expect 1 "$program" help --as troff
        says "man, bash, zsh, fish"
    done
    expect 1 "$dxup" pubish store app x
    says "there is no command 'pubish'; 'dxup help' lists them"
    says "did you mean 'publish'?"
    meant() { # OPTION-OR-COMMAND COMMAND-LINE...
        expect 1 "${@:2}"
        says "did you mean $1?"
    }
    meant "'checkout'" "$dxup" chekcout
    meant "'restore'" "$dxkeep" restoer store
    meant --dry-run "$dxup" publish store app x --dryrun
    meant --exclude "$dxup" publish store app x --exlude=a
    meant --connections "$dxup" pull localhost:1 app x --connect 2
    meant --quiet "$dxpatch" undo --quite
    for command in frobnicate x '' "$(printf 'p%.0s' $(seq 3000))"; do
        expect 1 "$dxup" "$command"
        case $out in *"did you mean"*) fail "$out" ;; esac
        expect 1 "$dxup" log store "--$command" more words
        case $out in *"did you mean"*) fail "$out" ;; esac
    done
    expect 1 "$dxup" publish store app
    says "publish needs more arguments; usage: dxup publish STORE NAME PATH"
    expect 1 "$dxup" publish store app x --keep 1
    says "see 'dxup help publish'"
    expect 2 "$dxup" publish store app -- --help # after -- nothing is an option
    says "--help: no such file"
}
errors_say_what_to_do() {
    local command long wrong program
    long=$(printf 'n%.0s' $(seq 256))
    mkdir tree full
    echo a >tree/a
    echo b >full/b
    echo f >f
    expect 0 "$dxup" publish store tree tree
    expect 0 "$dxup" publish store file f
    for wrong in '' "$long" $'a\nb' $'a\xff'; do
        expect 1 "$dxup" publish store "$wrong" f
        says "a name is 1 to 255 bytes of UTF-8, without control characters"
    done
    expect 1 "$dxup" publish store file@2 f
    says "publish the name alone"
    expect 1 "$dxup" publish store file f more
    says "'more'; usage: dxup publish STORE NAME PATH"
    expect 1 "$dxkeep" run store tree true # where there is no --
    says "'true'; usage: dxkeep run STORE DIR -- PROGRAM"
    for program in "$dxup publish" "$dxkeep capture"; do # a slip: the store is not put among files
        mkdir -p found empty/lost+found
        echo here >found/file
        if [ "$program" = "$dxup publish" ]; then set -- app tree; else set -- tree; fi
        expect 6 $program found "$@"
        says "found is not a store and has other files"
        [ "$(ls -A found)" = file ] || fail "left in found: $(ls -A found)"
        expect 0 $program empty "$@"
        expect 0 $program empty "$@"
        rm empty/index empty/objects # as if it was killed after its first file
        expect 0 $program empty "$@"
        rm -rf empty
    done
    expect 5 "$dxup" publish no/such/store file f # which directory is missing
    says "there is no directory no/such for the new store no/such/store; make it first"
    [ ! -e no ] || fail "made: no"
    for command in "publish f file tree" "ls f" "log f" "checkout f file out" "gc f" "serve f --listen 127.0.0.1:0"; do
        expect 2 "$dxup" $command
        says "f is a file, not a store"
    done
    expect 6 "$dxup" publish store self .
    says "the store store lies in ., so each version would contain the earlier ones"
    for server in 127.0.0.1:7000 example.org:7000 [::1]:7000 unix:no/socket; do # where a store belongs
        for command in "log $server" "publish $server file f" "checkout $server file out" "verify $server" "serve $server --listen 127.0.0.1:0"; do
            expect 1 "$dxup" $command
            says "'$server' is the address of a server, not the path of a store; 'dxup ls $server' lists"
        done
    done
    expect 0 "$dxup" publish ./odd:7000 file f # a path all the same, and also one that exists
    expect 0 "$dxup" log odd:7000
    for command in pull watch; do # and the other way around
        expect 1 "$dxup" $command store file ./q
        says "store is a store on this machine, not a server: 'dxup checkout store file ./q' copies from it"
    done
    [ ! -e q ] && [ ! -e out ] && [ ! -e 127.0.0.1:7000 ] || fail "something was made: $(ls)"
    # Once, and not by each worker.
    expect 2 "$dxup" serve nowhere --listen 127.0.0.1:0 --workers 4
    [ "$(echo "$out" | grep -c "there is no store at nowhere")" = 1 ] || fail "said more than once: $out"
    # A directory does not become a file, nor a file a directory, by --force: it is not advised.
    start_server store
    for command in "checkout store" "pull $address" "checkout --dry-run store"; do
        for force in '' --force; do
            expect 6 "$dxup" $command file full $force
            says "full exists and is not a file: remove it first"
            expect 6 "$dxup" $command tree f $force
            says "f exists and is not a directory: remove it first"
        done
    done
    stop_server
    [ "$(cat full/b f)" = "b
f" ] || fail "something was replaced"
}
messages_in_plain_words() {
    local web
    make_app
    start_server store --http 127.0.0.1:0
    web=$(sed -n "s/^listening on \([^ ]*\) for HTTP/\1/p" "$work/serve.log")
    expect 3 "$dxup" pull "$web" app out
    says "$web is not a dxup server: it speaks another protocol"
    expect 3 "$dxup" pull "$web" app out --connections 2
    says "is not a dxup server"
    stop_server
    flip store/objects $(($(stat -c %s store/objects) / 2))
    expect 4 "$dxup" verify store
    says "store: 1 place is damaged"
    case $out in *"run dxup verify"*) fail "verify advises itself: $out" ;; esac
    "$dxup" cat store app:data >/dev/null 2>log
    "$dxup" checkout store app other 2>>log
    grep -q "run dxup verify" log || fail "another command does not advise it: $(cat log)"
    rm -rf store tree
    make_app
    expect 0 "$dxup" ls store app
    is "app@2
app@1"
    command -v script >/dev/null || { skip "no script"; return; }
    TERM=xterm script -qec "$dxup ls store app" /dev/null </dev/null >shown 2>&1
    grep -q "'dxup ls store app:' lists the files" shown || fail "no advice at a terminal: $(cat shown)"
    expect 0 "$dxup" ls store app:
    says sub/
}
# The examples of a program, of all its commands in their order.
examples() { # PROGRAM
    local command
    for command in $("$1" help | sed -n "s/^  ${1##*/} \([a-z-]*\).*/\1/p"); do
        "$1" help $command | sed -n '/^Examples:/,/^$/s/^  //p'
    done
}
examples_of_the_help_work() {
    make_tree build
    cp -r build next
    echo more >next/more
    seq 1000 >notes.txt
    for f in old new third; do bytes 60000 >$f; done
    tail -c 50000 old >>new
    cat new >>third
    cp old file
    PATH=$(dirname "$dxup"):$PATH
    { examples "$dxpatch"; examples "$dxup"; } >examples
    [ "$(wc -l <examples)" -gt 12 ] || fail "few examples: $(cat examples)"
    while IFS= read -r example <&3; do
        case $example in
            "dxup serve"*) start_server store ;;
            "dxup watch"*)
                timeout 30 bash -c "exec ${example//127.0.0.1:7000/${address:-}}" >watched 2>&1 &
                for i in $(seq 500); do grep -q "restart for 2" watched && break; sleep 0.05; done
                kill $!
                says_file watched "restart for 2"
                ;;
            *)
                [[ $example != "dxpatch compose"* ]] || expect 0 "$dxpatch" diff new third patch2
                expect 0 bash -c "${example//127.0.0.1:7000/${address:-}}"
                ;;
        esac
    done 3<examples
}

# >>manual pages and completions
manual_pages_are_clean() {
    for program in $programs; do
        expect 0 "$program" help --as man
        echo "$out" >page.1
        [ "$(grep -c '^\.SH' page.1)" -ge 6 ] || fail "few sections in the page of $program"
        if command -v groff >/dev/null; then
            expect 0 groff -ww -man -Tutf8 -b page.1
            groff -ww -man -Tutf8 page.1 2>&1 >page | grep . && fail "groff has something to say"
        fi
        if command -v mandoc >/dev/null; then expect 0 mandoc -Tlint -Wwarning page.1; fi
        if command -v man >/dev/null; then MANWIDTH=80 man -l page.1 >/dev/null || fail "man cannot show it"; fi
        # words in quotes or at the start of a line are not lost
        for option in $("$program" help $("$program" help | sed -n "s/^  ${program##*/} \([a-z-]*\).*/\1/p" | head -1) | sed -n 's/^  --\([a-z-]*\).*/\1/p'); do
            tr -d '\\' <page.1 | grep -q -- "^fB--${option}fR" || fail "no --$option in the page of $program"
        done
    done
}
completions_are_scripts() {
    local any=
    for shell in bash zsh fish; do
        command -v $shell >/dev/null || continue
        any=yes
        for program in $programs; do
            "$program" help --as $shell >script || fail "$program for $shell"
            expect 0 $shell -n script
            [ "$(wc -l <script)" -ge 5 ] || fail "an empty script for $shell"
        done
    done
    [ -n "$any" ] || skip "no shell"
}
committed_texts_are_current() {
    for program in $programs; do
        tool=${program##*/}
        for text in man:docs/man/$tool.1 bash:docs/completions/$tool.bash zsh:docs/completions/_$tool fish:docs/completions/$tool.fish; do
            "$program" help --as ${text%%:*} | cmp -s - "$top/${text#*:}" || fail "${text#*:} is older than the commands of $tool: make texts"
        done
    done
}
completes() { # LINE WANTED...: what bash offers where the line ends has them
    local line=$1 offered
    offered=$(bash --norc -c '
        source ./script
        COMP_LINE=$1 COMP_POINT=${#1}
        word=${1##*[ @:]} # as bash cuts words
        _dxup dxup "$word" ""
        printf "%s\n" "${COMPREPLY[@]}"' - "$line")
    shift
    for want; do echo "$offered" | grep -qxF -- "$want" || fail "'$line' is not completed by '$want' but by: $offered"; done
}
completion_in_bash() {
    bytes 10 >file
    mkdir folder
    expect 0 "$dxup" publish store app file
    PATH=$(dirname "$dxup"):$PATH
    "$dxup" help --as bash >script
    completes "dxup pu" publish pull
    completes "dxup " log help --version
    completes "dxup publish store app file --w" --workers
    completes "dxup publish s" store
    completes "dxup publish store app --workers 2 fi" file
    completes "dxup pull 127.0.0.1:1 app x --backend ep" epoll
    completes "dxup checkout store app f" file folder
    expect 0 "$dxup" tag store app stable
    completes "dxup checkout store a" app app@stable
    completes "dxup checkout store app@s" stable # bash has cut the word at @
}
completion_of_moments() {
    mkdir -p data/log 'data/a folder'
    bytes 10 >data/log/x.txt
    bytes 10 >'data/a folder/a file'
    bytes 10 >local
    expect 0 "$dxkeep" capture store data
    bytes 10 >data/second
    expect 0 "$dxkeep" capture store data
    PATH=$(dirname "$dxkeep"):$PATH
    "$dxkeep" help --as bash | sed 's/^_dxkeep()/_dxup()/' >script
    completes "dxkeep help mo" mount moment
    completes "dxkeep ls store " latest consistent 1 2
    completes "dxkeep diff store 1 l" latest
    completes "dxkeep export store x --time c" consistent
    completes "dxkeep timeline store --by " minute hour day
    completes "dxkeep gc store --keep h" hourly=24,daily=30
    completes "dxkeep cat store latest " log/ 'a folder/' second
    completes "dxkeep cat store 1 log/" log/x.txt
    completes "dxkeep cat store --name dir 1 a" 'a folder/'
    completes "dxkeep run store data -- bas" bash
    completes "dxkeep run store data -- bash lo" local
    bash --norc -c 'source ./script; COMP_LINE=$1 COMP_POINT=${#1}; _dxup dxup "" ""; printf "%s\n" "${COMPREPLY[@]}"' - "dxkeep cat store 1 " >offered
    says_file offered log/
    grep -qx "second\|local" offered && fail "not in version 1: $(cat offered)"
    if command -v fish >/dev/null; then
        "$dxkeep" help --as fish >script.fish
        HOME=$PWD fish --no-config -c 'source script.fish; complete -C "dxkeep help mo"; complete -C "dxkeep ls store la"; complete -C "dxkeep timeline store --by h"' >offered
        for want in moment latest hour; do says_file offered "^$want"; done
    fi
    if command -v zsh >/dev/null; then
        "$dxkeep" help --as zsh | sed '$d' >script.zsh
        expect 0 zsh -f -c 'source ./script.zsh; compadd() { eval "print -l -- \"\${(@)$@[-1]}\"" }
            words=(ls store 1 log/) PREFIX=log/; _dxkeep_moments; _dxkeep_paths'
        for want in latest 2 log/x.txt; do echo "$out" | grep -qx "$want" || fail "zsh does not offer $want: $out"; done
    fi
}
completion_in_fish() {
    command -v fish >/dev/null || { skip "no fish"; return; }
    "$dxup" help --as fish >script
    HOME=$PWD PATH=$(dirname "$dxup"):$PATH fish --no-config -c 'source script; complete -C "dxup pu"; complete -C "dxup serve x --backend "' >offered
    says_file offered '^publish'
    says_file offered '^pull'
    says_file offered '^epoll'
}
completion_in_zsh() {
    command -v zsh >/dev/null || { skip "no zsh"; return; }
    mkdir functions
    "$dxup" help --as zsh >functions/_dxup
    cat >ask <<'END'
fpath=($PWD/functions $fpath)
autoload -U compinit && compinit -u -d $PWD/dump
whence -w _dxup
[[ ${_comps[dxup]} == _dxup ]] && echo bound
END
    expect 0 zsh -f ask
    says "_dxup: function"
    says bound
}

# >>ls, cat, tag, rm
make_app() { # two versions of a tree in store
    make_tree tree
    expect 0 "$dxup" publish store app tree --quiet
    echo more >>tree/sub/a.c
    bytes 200000 >tree/large
    expect 0 "$dxup" publish store app tree --quiet
}
is() { # the last output, exactly
    [ "$out" = "$1" ] || fail "not '$1' but '$out'"
}
json() { # EXPRESSION...     each line of the last output is an object; python's `o` is all of them
    echo "$out" | python3 -c '
import json, sys
o = [json.loads(line) for line in sys.stdin.buffer.read().decode("utf-8", "strict").splitlines()]
assert all(isinstance(x, dict) for x in o), o
for text in sys.argv[1:]:
    assert eval(text), (text, o)' "$@" || fail "json: $*"
}
names_versions_and_entries() {
    make_app
    bytes 10 >file
    expect 0 "$dxup" publish store notes file --quiet
    expect 0 "$dxup" ls store
    is "app
notes"
    expect 0 "$dxup" ls store app
    is "app@2
app@1"
    expect 0 "$dxup" ls store app@1
    [ "$(echo "$out" | awk '{ print $1, $5 }')" = "lrwxrwxrwx dangling
-rw------- data
drwxr-xr-x empty/
drwxr-xr-x sub/
-rw-r--r-- sub-file" ] || fail "entries: $out"
    says "dangling -> /nowhere"
    says "$(TZ=UTC stat -c %y tree/data | cut -c1-19)"
    expect 0 "$dxup" ls store app:
    says "-rw-r--r--         200,000"
    expect 0 "$dxup" ls store app@2:sub/
    [ "$(echo "$out" | awk '{ print $5 }' | tr '\n' ' ')" = "sub/a.c sub/deep/ sub/link sub/nothing " ] || fail "sub: $out"
    expect 0 "$dxup" ls store app@2:sub/a.c
    [ "$(echo "$out" | wc -l)" = 1 ] || fail "one file: $out"
    expect 0 "$dxup" ls store app --json
    json 'len(o) == 2' 'o[0]["version"] == 2' 'o[1]["kind"] == "tree"' 'len(o[0]["hash"]) == 64' 'o[0]["time"].endswith("Z")'
    expect 0 "$dxup" ls store app --recursive --json
    json 'len(o) == 10' # the contents of its latest version, not its versions
    expect 0 "$dxup" ls store app: --recursive --json
    json 'len(o) == 10' '{x["path"]: x for x in o}["sub/link"]["target"] == "../data"' '{x["path"]: x for x in o}["data"]["mode"] == "0600"' \
        'sum(x["type"] == "directory" for x in o) == 3' '{x["path"]: x for x in o}["large"]["size"] == 200000'
    expect 0 "$dxup" ls store notes@1
    says "notes"
}
names_and_versions_of_a_server() { # as those of its store
    local i
    make_app
    expect 0 "$dxup" tag store app@1 stable
    expect 0 "$dxup" tag store app beta
    expect 0 "$dxup" publish store "odd name" tree/data --quiet
    start_server store --workers 2
    for i in "" app "odd name" "app --json" --json; do
        [ "$i" = "odd name" ] || set -- $i
        [ "$i" != "odd name" ] || set -- "odd name"
        expect 0 "$dxup" ls store "$@"
        here=$out
        expect 0 "$dxup" ls "$address" "$@"
        [ "$out" = "$here" ] || fail "ls $i: $out instead of $here"
    done
    expect 2 "$dxup" ls "$address" nothing
    says "the server has no 'nothing'; 'dxup ls $address' lists its names"
    expect 1 "$dxup" ls "$address" app --recursive
    expect 3 "$dxup" ls 127.0.0.1:1
    mkdir "$address" # a path takes precedence
    expect 2 "$dxup" ls "$address"
    says "not a store"
    stop_server
    expect 0 "$dxup" publish many name000 tree/data --quiet
    python3 - "$dxup" <<'END' # more than fits into an answer
import subprocess, sys
open("bytes", "w").write("x")
for i in range(110): subprocess.run([sys.argv[1], "publish", "many", "n" * 250 + str(i), "bytes", "--quiet"], check=True)
END
    start_server many
    expect 0 "$dxup" ls "$address"
    [ "$out" = "$("$dxup" ls many)" ] || fail "another list: $out"
    [ "$(echo "$out" | wc -l)" = 111 ] || fail "$(echo "$out" | wc -l) names"
    stop_server
    start_server store --http 127.0.0.1:0
    expect 3 "$dxup" ls "$(sed -n 's/^listening on \([^ ]*\) for HTTP/\1/p' "$work/serve.log")"
    says "is not a dxup server"
    [ -x "$dxwan" ] || return # which speaks the same protocol
    "$dxwan" recv 127.0.0.1:0 --wait 30 >receiver.log 2>&1 &
    local receiver=$!
    for i in $(seq 100); do
        ! grep -q listening receiver.log || break
        sleep 0.05
    done
    expect 3 "$dxup" ls "$(sed -n 's/^listening on //p' receiver.log)"
    says "is not a dxup server"
    kill $receiver
}
files_of_a_version() {
    make_app
    for path in data sub/a.c sub/nothing sub-file large; do
        "$dxup" cat store app:$path | cmp - tree/$path || fail "cat $path"
    done
    expect 0 "$dxup" cat store app@1:sub/a.c
    is "int main(void){}"
    expect 2 "$dxup" cat store app@1:large
    says "app@1 has no 'large'"
    expect 0 "$dxup" publish store f tree/large --quiet
    "$dxup" cat store f | cmp - tree/large || fail "cat of a file"
    "$dxup" cat store f@1 | cmp - tree/large || fail "cat of a version of a file"
    expect 1 "$dxup" cat store app
    says "app@2:PATH"
    expect 1 "$dxup" cat store app:sub
    says "'dxup ls' lists it"
    expect 1 "$dxup" cat store app:sub/link
    says "symbolic link"
    expect 2 "$dxup" cat store f:inside
    says "is a single file"
    # no byte of a damaged chunk is printed
    cp store/objects whole
    found=
    for at in $(seq 20000 20000 "$(stat -c %s whole)"); do
        cp whole store/objects
        flip store/objects "$at"
        "$dxup" cat store app:large >some 2>/dev/null
        case $? in 0) same some tree/large ;; 4) found=yes ;; *) fail "another status at $at" ;; esac
        head -c "$(stat -c %s some)" tree/large | cmp - some || fail "damaged bytes were written at $at"
    done
    [ -n "$found" ] || fail "no damage was met"
}
paths_that_lead_elsewhere() {
    make_app
    for path in .. ../data /data sub/../data ./data sub//a.c sub/./a.c ../../etc/passwd /; do
        expect 1 "$dxup" ls store "app:$path"
        says "is not a path in a tree"
        expect 1 "$dxup" cat store "app:$path"
        says "is not a path in a tree"
    done
    for path in sub/link/data data/x sub/a "$(printf 'x%.0s' $(seq 4000))"; do
        expect 2 "$dxup" cat store "app:$path"
    done
    expect 1 "$dxup" cat store "app:$(printf 'x/%.0s' $(seq 4000))x"
    expect 2 "$dxup" ls store "$(printf 'n%.0s' $(seq 3000))"
    expect 2 "$dxup" ls store "$(printf 'n%.0s' $(seq 3000)):x"
    expect 2 "$dxup" ls store ''
    expect 2 "$dxup" ls nowhere
    says "there is no store at nowhere"
    mkdir folder
    for command in "ls folder" "cat folder app:data" "tag folder app stable" "rm folder app" "log folder"; do
        expect 2 "$dxup" $command
        says "folder is not a store"
    done
}
names_that_nobody_should_print() {
    mkdir tree
    printf a >tree/$'esc\e[31m'
    printf bc >tree/$'new\nline'
    printf def >tree/$'broken\xff\xc3utf8'
    printf g >$'tree/quote"back\\slash'
    printf h >$'tree/line\xe2\x80\xa8separator'
    ln -s $'to\e]0;title\a' tree/link
    expect 0 "$dxup" publish store app tree --quiet
    "$craft" store $'na"me:with\\a:colon' version-of:app # as older releases made it
    for command in "ls store app:" "ls store" "log store" "ls store app:nothing"$'\e'; do
        "$dxup" $command >shown 2>&1
        LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]' shown && fail "a control character of $command"
    done
    expect 0 "$dxup" ls store app:
    says 'esc\x1b[31m'
    says 'new\x0aline'
    says 'broken\xff\xc3utf8'
    says ' -> to\x1b]0;title\x07'
    [ "$(echo "$out" | wc -l)" = 6 ] || fail "a name made a line: $out"
    expect 0 "$dxup" ls store app: --json
    json 'len(o) == 6' 'any(x["path"] == "esc\x1b[31m" for x in o)' 'any(x["path"] == "new\nline" for x in o)' \
        'any(x.get("path_hex") == b"broken\xff\xc3utf8".hex() and x["path"] == "broken\ufffd\ufffdutf8" for x in o)' \
        'any(x["path"] == "quote\"back\\slash" for x in o)' 'any(x.get("target") == "to\x1b]0;title\x07" for x in o)' \
        'any(x["path"] == "line\u2028separator" for x in o)' 'sum("path_hex" in x for x in o) == 1'
    echo "$out" | LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]' && fail "a control character in JSON"
    expect 0 "$dxup" cat store $'app:esc\e[31m'
    is a
    expect 0 "$dxup" cat store $'app@1:broken\xff\xc3utf8'
    is def
    expect 0 "$dxup" cat store $'na"me:with\\a:colon:new\nline' # the longest part that is a name
    is bc
    expect 0 "$dxup" ls store --json
    json 'any(x["name"] == "na\"me:with\\a:colon" for x in o)'
    expect 2 "$dxup" cat store $'gone\e[31m:x'
    says 'gone\x1b[31m'
}
a_version_is_pulled_by_its_number() {
    make_app
    cp -a tree new
    expect 0 "$dxup" checkout store app@1 old --quiet
    printf 'content of 1\n' >file
    expect 0 "$dxup" publish store file file --quiet
    printf 'content of 2\n' >file
    expect 0 "$dxup" publish store file file --quiet
    start_server store
    expect 0 "$dxup" pull "$address" app@1 pulled
    says "app@1 full: "
    diff -r --no-dereference old pulled || fail "pull of app@1"
    expect 0 "$dxup" pull "$address" app@1 pulled --report
    says "name=app version=1 outcome=unchanged "
    expect 0 "$dxup" pull "$address" app pulled
    says "app@2 "
    diff -r --no-dereference new pulled || fail "pull of the latest behind app@1"
    expect 0 "$dxup" pull "$address" app@1 pulled # an older version: its number says so
    diff -r --no-dereference old pulled || fail "pull of app@1 where app@2 is"
    expect 0 "$dxup" pull "$address" file@1 got --connections 2
    [ "$(cat got)" = "content of 1" ] || fail "pull of file@1"
    expect 2 "$dxup" pull "$address" app@3 pulled
    says "the server has no 'app@3'; 'dxup ls $address' lists its names"
    for zero in app@0 app@000; do # not the latest
        for command in "pull $address $zero pulled" "watch $address $zero pulled" "pull $address $zero pulled --force" "publish store $zero file" \
            "checkout store $zero elsewhere" "log store $zero" "ls store $zero" "cat store $zero:data" "tag store $zero stable" "rm store $zero"; do
            expect 1 timeout 20 "$dxup" $command
            says "'$zero' is no version: versions are numbered from 1"
        done
    done
    expect 0 "$dxup" ls store app
    is "app@2
app@1"
    expect 1 timeout 20 "$dxup" watch "$address" app@1 pulled
    says "'app@1' never changes, so there is nothing to watch: watch 'app' or a tag of it"
    diff -r --no-dereference old pulled || fail "a version that is not there"
    stop_server
}
errors_name_the_top_of_a_tree() { # without descriptors for directories
    make_app
    local limit
    for limit in 4 5 6 7 8 9 10; do
        out=$( (ulimit -n $limit && "$dxup" publish store few tree) 2>&1)
        case $out in *"dxup: : "*) fail "$limit files: $out" ;; esac
    done
    expect 0 "$dxup" verify store
}
tags_are_moved_and_taken_away() {
    make_app
    cp -a tree new
    expect 0 "$dxup" tag store app@1 stable
    is "app@stable is app@1"
    expect 0 "$dxup" tag store app beta
    expect 0 "$dxup" ls store
    is "app
app@beta -> app@2
app@stable -> app@1"
    expect 0 "$dxup" ls store app
    is "app@2  (beta)
app@1  (stable)"
    expect 0 "$dxup" log store app
    says "  beta"
    expect 0 "$dxup" checkout store app@stable old
    says "app@1 checked out"
    [ ! -e old/large ] || fail "stable is not version 1"
    expect 0 "$dxup" ls store app@stable:sub
    expect 0 "$dxup" cat store app@stable:sub/a.c
    is "int main(void){}"
    start_server store
    expect 0 "$dxup" pull "$address" app@stable pulled --quiet
    diff -r --no-dereference old pulled || fail "pull of a tag"
    expect 0 "$dxup" tag store app@beta stable --json
    json 'o == [{"tag": "stable", "name": "app", "version": 2, "before": 1}]'
    expect 0 "$dxup" pull "$address" app@stable pulled --quiet
    diff -r --no-dereference new pulled || fail "pull of a tag that was moved"
    expect 0 "$dxup" tag store app@1 stable # an older version: a channel is followed there
    expect 0 "$dxup" pull "$address" app@stable pulled --quiet
    diff -r --no-dereference old pulled || fail "pull of a tag that was moved back"
    stop_server
    expect 0 "$dxup" ls store app@beta --json
    expect 0 "$dxup" log store --json
    json 'sorted((x.get("tag", ""), x["version"]) for x in o) == [("", 2), ("beta", 2), ("stable", 1)]' 'all(x["name"] == "app" for x in o)' \
        '[x["tags"] for x in o if "tag" not in x] == [["beta"]]'
    expect 0 "$dxup" tag store app beta --remove
    is "app@beta is removed (it was app@2)"
    expect 2 "$dxup" checkout store app@beta x
    says "'dxup ls store app' lists its versions"
    expect 2 "$dxup" tag store app beta --remove
    # only the newest version is kept: the tag keeps its content
    expect 0 "$dxup" gc store --keep 1 --quiet
    expect 2 "$dxup" checkout store app@1 x
    rm -rf pulled
    expect 0 "$dxup" checkout store app@stable pulled --quiet
    diff -r --no-dereference old pulled || fail "a tag after gc"
    expect 0 "$dxup" verify store
}
names_with_a_colon() { # none is created; those that older releases created are as they were
    make_app
    expect 1 "$dxup" publish new old:beta tree --quiet
    says "a new name has no colon"
    [ ! -e new ] || fail "a store was made"
    expect 1 "$dxup" publish store old:beta tree --quiet
    expect 1 "$dxup" publish store : tree --quiet
    "$craft" store old:beta version-of:app
    expect 0 "$dxup" publish store old:beta tree --quiet
    expect 0 "$dxup" tag store old:beta@1 old
    expect 0 "$dxup" ls store old:beta@old
    expect 0 "$dxup" checkout store old:beta@1 out --quiet
    expect 0 "$dxup" cat store old:beta@1:sub/a.c
    expect 0 "$dxup" cat store app@1:sub/a.c
    expect 2 "$dxup" cat store app:gamma
}
the_tag_latest_is_reserved() {
    make_app
    expect 1 "$dxup" tag store app@1 latest
    says "'latest' is reserved"
    expect 2 "$dxup" ls store app@latest
    "$craft" store app@latest version-of:app # a name of an older release
    expect 0 "$dxup" ls store app@latest
    expect 0 "$dxup" tag store app latests
}
tags_that_are_refused() {
    make_app
    for tag in 1 1.0 -x .x '' 'a b' a@b a:b a/b $'a\e' é "$(printf 'a%.0s' $(seq 65))"; do
        expect 1 "$dxup" tag store app -- "$tag"
    done
    expect 0 "$dxup" tag store app "$(printf 'a%.0s' $(seq 64))"
    expect 2 "$dxup" tag store app@9 stable
    expect 2 "$dxup" tag store other stable
    expect 2 "$dxup" tag nowhere app stable
    expect 1 "$dxup" publish store app@stable tree
    says "dxup tag"
    long=$(printf 'n%.0s' $(seq 250))
    expect 0 "$dxup" publish store "$long" tree --quiet
    expect 1 "$dxup" tag store "$long" stable
    says "too long"
    before=$(sha256sum <store/objects)
    for command in "tag store app stable" "rm store app" "rm store app@1"; do
        expect 6 flock store/lock "$dxup" $command
        says "another process"
    done
    expect 0 flock store/lock "$dxup" ls store app
    expect 0 flock store/lock "$dxup" cat store app:sub/a.c
    expect 0 flock store/lock "$dxup" rm store app@1 --dry-run
    [ "$before" = "$(sha256sum <store/objects)" ] || fail "the store changed"
}
tag_killed_at_any_moment() {
    local i at
    make_app
    expect 0 "$dxup" tag store app@1 stable
    for i in $(seq 30); do
        "$dxup" tag store app@$((i % 2 + 1)) stable --quiet 2>/dev/null &
        moment 8
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        expect 0 "$dxup" ls store
        case $out in *"app@stable -> app@"[12]) ;; *) fail "after a kill: $out" ;; esac
        at=${out: -1}
        expect 0 "$dxup" ls store app@stable:
        [ "$([[ $out = *large* ]] && echo 2 || echo 1)" = "$at" ] || fail "stable is said to be app@$at, and has the content of the other"
        [ $bad = 0 ] || break
    done
    expect 0 "$dxup" verify store
}
names_and_versions_are_removed() {
    make_app
    bytes 100000 >f
    expect 0 "$dxup" publish store big f --quiet
    bytes 100 >>tree/large
    expect 0 "$dxup" publish store app tree --quiet
    expect 6 "$dxup" rm store app@3
    says "latest version"
    expect 6 "$dxup" rm store app@2
    says "--older"
    expect 0 "$dxup" tag store app@1 old
    expect 6 "$dxup" rm store app@2 --older
    says "app@1 has the tag 'old'; --force"
    expect 6 "$dxup" rm store app
    expect 1 "$dxup" rm store app@old
    says "dxup tag store app old --remove"
    expect 0 "$dxup" rm store app@2 --older --force --dry-run --json
    json 'o == [{"removed": "app@2", "versions": 2, "dry_run": True}]'
    expect 0 "$dxup" ls store app
    is "app@3
app@2
app@1  (old)"
    expect 0 "$dxup" rm store app@2 --older --force
    is "app@2 is removed: 2 versions; dxup gc reclaims the space"
    expect 0 "$dxup" ls store
    is "app
big"
    expect 2 "$dxup" checkout store app@2 out
    expect 0 "$dxup" rm store big
    before=$(stat -c %s store/objects)
    expect 0 "$dxup" gc store --quiet
    [ $((before - $(stat -c %s store/objects))) -gt 90000 ] || fail "gc has not reclaimed what was removed"
    expect 0 "$dxup" checkout store app out --quiet
    same_tree tree out
    expect 2 "$dxup" rm store big
    expect 2 "$dxup" rm store app@2
    expect 0 "$dxup" verify store
}
is_near() { # NUMBER NUMBER      5 % or 100 bytes
    local apart=$(($1 > $2 ? $1 - $2 : $2 - $1))
    [ $apart -le 100 ] || [ $((apart * 20)) -le "$1" ]
}
what_diff_says_is_sent() { # of trees and of files, by a pull: within 5 %
    local from kind
    mkdir t
    for i in $(seq 60); do seq $i 7 $((i * 90)) >t/f$i; done
    bytes 400000 >t/data
    cp t/data f
    for kind in t f; do
        expect 0 "$dxup" publish store $kind $kind --quiet
        bytes 20 >>$kind$([ $kind = f ] || echo /f7)
        expect 0 "$dxup" publish store $kind $kind --quiet
        if [ $kind = t ]; then
            for i in $(seq 1 3 60); do sed -i 's/1/one/' t/f$i; done
            mv t/f2 t/g2
        fi
        { bytes 90000; head -c 200000 t/data; bytes 10; tail -c 150000 t/data; } >new
        mv new $([ $kind = f ] && echo f || echo t/data)
        expect 0 "$dxup" publish store $kind $kind --quiet
    done
    start_server store
    for kind in t f; do
        for from in 1 2; do
            rm -rf out .out.dxup*
            expect 0 "$dxup" checkout store $kind@$from out --quiet
            expect 0 "$dxup" diff store $kind@$from $kind --json
            size=$(echo "$out" | sed -n 's/.*"pull_size":\([0-9]*\).*/\1/p')
            expect 0 "$dxup" pull "$address" $kind out --report
            is_near "$(get wire)" "$size" || fail "$kind@$from: $size said, $(get wire) sent"
        done
    done
    stop_server
    start_server store --patch-max 300K # smaller than the file: it travels as objects
    for from in 1 2; do
        rm -rf out .out.dxup*
        expect 0 "$dxup" checkout store f@$from out --quiet
        expect 0 "$dxup" diff store f@$from f --patch-max 300K --json
        size=$(echo "$out" | sed -n 's/.*"pull":"patch","pull_size":\([0-9]*\).*/\1/p')
        expect 0 "$dxup" pull "$address" f out --report
        is_near "$(get wire)" "$size" || fail "f@$from beyond --patch-max: $size said, $(get wire) sent"
    done
    mkdir temporary
    expect 0 env TMPDIR="$PWD/temporary" "$dxup" diff store f t
    says "(whole)"
    [ -z "$(ls -A temporary)" ] || fail "left behind: $(ls -A temporary)"
    size=$(echo "$out" | sed -n 's/.*transfers \([0-9,]*\) bytes.*/\1/p' | tr -d ,)
    rm -rf out .out.dxup*
    expect 0 "$dxup" pull "$address" t out --report
    is_near "$(get wire)" "$size" || fail "a first copy: $size said, $(get wire) sent"
}
what_changed_between_versions() {
    make_app
    echo changed >>tree/sub/a.c
    mv tree/large tree/sub/$'moved\e[31m'
    mkdir tree/more && bytes 10 >tree/more/x
    rm tree/sub-file
    chmod 640 tree/data
    rm tree/dangling && echo file >tree/dangling
    expect 0 "$dxup" publish store app tree --quiet
    expect 0 "$dxup" diff store app@2 app
    [ "$(echo "$out" | sed '$d' | sort)" = 'added     more/  (directory)
added     more/x  (10)
changed   dangling  (8 to 5, mode 0777 to 0644)
changed   data  (50,000, mode 0600 to 0640)
changed   sub/a.c  (22 to 30)
removed   sub-file  (1)
renamed   large -> sub/moved\x1b[31m  (200,000)' ] || fail "diff: $out"
    says "2 added, 1 removed, 3 changed, 1 renamed"
    expect 0 "$dxup" diff store app@2 app --json
    json 'len(o) == 8' 'o[-1]["pull"] == "patch" and 50 < o[-1]["pull_size"] < 10000' \
        'o[-1]["from"] == 2 and o[-1]["to"] == 3' '[x["from"] for x in o if x.get("change") == "renamed"] == ["large"]' \
        '{x["path"]: x for x in o[:-1]}["data"]["mode_before"] == "0600"'
    cost=$(echo "$out" | tail -1 | grep -o '"pull_size":[0-9]*')
    expect 0 "$dxup" checkout store app@2 have --quiet
    start_server store
    expect 0 "$dxup" pull "$address" app have --report
    [ "$(get outcome)" = patch ] && is_near "$(get wire)" "${cost#*:}" || fail "a pull transfers not $cost but: $out"
    if [ "$(id -u)" = 0 ]; then
        cp -a tree owned && chown 12:34 owned/data
        expect 0 "$dxup" publish store owned tree --quiet
        expect 0 "$dxup" publish store owned owned --quiet
        expect 0 "$dxup" diff store owned@1 owned --no-cost
        says "changed   data  (50,000, owner 0:0 to 12:34)"
        says "0 added, 0 removed, 1 changed, 0 renamed"
    fi
    expect 0 "$dxup" diff store app app@3
    is "app@3 to app@3: 0 added, 0 removed, 0 changed, 0 renamed; $(get_size app) to $(get_size app) bytes; a pull transfers 0 bytes (unchanged)"
    expect 0 "$dxup" tag store app@1 old
    expect 0 "$dxup" diff store app@old app@2 --no-cost
    says "added     large"
    [[ $out != *pull* ]] || fail "a cost without being asked: $out"
    bytes 5000 >f
    expect 0 "$dxup" publish store f f --quiet
    bytes 10 >>f
    expect 0 "$dxup" publish store f f --quiet
    expect 0 "$dxup" diff store f@1 f@2
    says "changed   f  (5,000 to 5,010)"
    says "(patch)"
    expect 0 "$dxup" diff store f app # a file has become a tree
    says "removed   f"
    says "added     sub/a.c"
    says "(whole)"
    expect 2 "$dxup" diff store app@1 app@9
    expect 1 "$dxup" diff store app@1
    script -qec true /dev/null >/dev/null 2>&1 || { skip "colours: no script, or no pseudo-terminals"; return; }
    NO_COLOR=1 script -qc "$dxup diff store app@1 app@2 --no-cost" /dev/null >shown
    grep -q $'\e' shown && fail "colours in spite of NO_COLOR"
    TERM=dumb script -qc "$dxup diff store app@1 app@2 --no-cost" /dev/null >shown
    grep -q $'\e' shown && fail "colours for TERM=dumb"
    TERM=xterm script -qc "$dxup diff store app@1 app@2 --no-cost" /dev/null >shown
    grep -q $'\e\[32madded' shown || fail "no colours at a terminal: $(cat -v shown)"
}
get_size() { # NAME
    "$dxup" log store "$1" | awk 'NR == 1 { print $4 }'
}
what_would_be_done() {
    make_app
    bytes 5000 >>tree/large
    cp -a store before
    expect 0 "$dxup" publish store app tree --dry-run
    says "app@3 would be published"
    expect 0 "$dxup" publish store app tree --dry-run --json
    json 'o[0]["version"] == 3 and o[0]["dry_run"] and not o[0]["unchanged"] and 5000 < o[0]["added"] < 60000' 'len(o) == 1'
    expect 0 "$dxup" checkout store app out --dry-run
    says "app@2 would be checked out to out"
    [ ! -e out ] || fail "a dry run has written"
    mkdir full && echo mine >full/file
    expect 6 "$dxup" checkout store app full --dry-run
    expect 0 "$dxup" gc store --keep 1 --dry-run
    is "app@1 would be removed"
    expect 0 "$dxup" gc store --keep 2 --dry-run
    is ""
    expect 0 "$dxup" rm store app --dry-run
    cmp before/objects store/objects || fail "a dry run has changed the store"
    expect 2 "$dxup" publish other app tree --dry-run
    expect 2 "$dxup" publish other app nothing --dry-run
    [ ! -e other ] || fail "a dry run has made a store"
    expect 0 "$dxup" ls store
    is app
}
paths_that_are_left_out() {
    make_tree tree
    mkdir -p tree/sub/tmp tree/tmp/deep tree/.git
    touch tree/x.o tree/sub/y.o tree/keep.o tree/tmp/deep/z tree/sub/tmp/z tree/.git/config $'tree/odd\n.o' 'tree/[a]*'
    listed() { "$dxup" ls store "$1": --recursive --json | python3 -c 'import json, sys
print(" ".join(sorted(json.loads(l)["path"] for l in sys.stdin)))'; }
    expect 0 "$dxup" publish store a tree --include keep.o --exclude '*.o' --exclude /tmp/ --exclude .git
    [ "$(listed a)" = "[a]* dangling data empty keep.o sub sub-file sub/a.c sub/deep sub/link sub/nothing sub/tmp sub/tmp/z" ] || fail "$(listed a)"
    expect 0 "$dxup" publish store b tree --include sub/ --include 'sub/**.c' --exclude '*'
    [ "$(listed b)" = "sub sub/a.c" ] || fail "$(listed b)"
    expect 0 "$dxup" publish store c tree --exclude '\[a]\*' --exclude '**e**' --exclude '?ata'
    [ "$(listed c)" = ".git .git/config dangling odd"$'\n'".o sub sub/a.c sub/link sub/nothing sub/tmp sub/tmp/z sub/y.o tmp x.o" ] || fail "$(listed c)"
    expect 0 "$dxup" publish store d tree --exclude '*'
    [ -z "$(listed d)" ] || fail "$(listed d)"
    expect 0 "$dxup" publish store d tree --exclude '/**'
    says "unchanged"
    expect 0 "$dxup" publish store a tree --include keep.o --exclude '*.o' --exclude /tmp/ --exclude .git
    says "unchanged"
    expect 0 "$dxup" publish store a tree
    says "a@2 published"
    for pattern in '' / "$(printf 'x%.0s' $(seq 256))"; do
        expect 1 "$dxup" publish store a tree --exclude "$pattern"
        says "a pattern has 1 to 255 bytes"
    done
    expect 1 "$dxup" publish store f tree/data --exclude x
    says "not a directory"
    expect 0 "$dxup" verify store
}
json_of_all_commands() {
    local i
    make_tree tree
    expect 0 "$dxup" publish store $'odd\\"name' tree --json
    json 'o == [{**o[0], "name": "odd\\\"name", "version": 1, "unchanged": False, "files": 4, "dry_run": False}]'
    expect 0 "$dxup" publish store $'odd\\"name' tree --json
    json 'o[0]["version"] == 1 and o[0]["unchanged"]'
    expect 0 "$dxup" publish store file tree/data --json --quiet
    json 'o[0]["size"] == 50000 and "files" not in o[0]'
    expect 0 "$dxup" checkout store file $'to\xff' --json
    json 'o[0]["path"] == "to\ufffd" and bytes.fromhex(o[0]["path_hex"]) == b"to\xff" and len(o[0]["hash"]) == 64'
    expect 0 "$dxup" verify store --json
    json 'o[0]["sound"] is True and o[0]["versions"] == 2'
    expect 0 "$dxup" gc store --json
    json '0 < o[0]["size"] <= o[0]["size_before"]'
    expect 0 "$dxup" tag store file stable --json
    expect 0 "$dxup" log store --json
    json 'len(o) == 3'
    "$dxup" serve store --listen 127.0.0.1:0 --http 127.0.0.1:0 --status 127.0.0.1:0 --workers 1 --json >said 2>&1 </dev/null &
    server=$!
    for i in $(seq 1200); do
        [ -s said ] && break
        sleep 0.05
    done
    out=$(cat said)
    json 'o[0]["workers"] == 1' 'all(o[0][side].startswith("127.0.0.1:") for side in ("listening", "http", "status"))'
    address=$(sed 's/.*"listening":"\([^"]*\)".*/\1/' said)
    expect 0 "$dxup" pull "$address" file pulled --json
    json 'o[0]["outcome"] == "full" and o[0]["size"] == 50000 and o[0]["received"] > 1000' '(o[0]["name"], o[0]["version"], o[0]["path"]) == ("file", 1, "pulled")'
    expect 0 "$dxup" pull "$address" file pulled --json --quiet
    json 'o[0]["outcome"] == "unchanged"'
    stop_server
    flip store/objects $(($(stat -c %s store/objects) / 2))
    expect 4 "$dxup" verify store --json
    out=$("$dxup" verify store --json 2>/dev/null)
    json 'any("damaged" in x for x in o)' 'any(x.get("whole") is False for x in o)' 'all("sound" not in x for x in o)'
}
progress_at_a_terminal() {
    script -qec true /dev/null >/dev/null 2>&1 || { skip "no script, or no pseudo-terminals"; return; }
    bytes 30000000 >f
    at() { TERM=$1 script -qec "${*:2}" /dev/null </dev/null >shown 2>&1; }
    at xterm "$dxup publish store f f"
    grep -q $'\r\e\[K' shown || fail "no progress at a terminal: $(head -c 300 shown | cat -v)"
    grep -q 'MB' shown || fail "progress without bytes: $(head -c 300 shown | cat -v)"
    grep -q "f@1 published" shown || fail "no summary"
    rm -rf store
    for how in "dumb $dxup publish store f f" "xterm $dxup publish store f f --quiet" "xterm $dxup publish store f f --json" \
        "xterm $dxup cat store f >/dev/null"; do
        at $how
        grep -q $'\e' shown && fail "progress of $how: $(head -c 300 shown | cat -v)"
    done
    rm -rf store
    "$dxup" publish store f f >shown 2>&1
    grep -q $'\e' shown && fail "progress without a terminal"
    true
}
stores_of_another_format() {
    make_app
    for i in 0 8 16 40; do
        rm -rf other && cp -r store other
        printf 'XY' | dd of=other/objects bs=1 seek=$i conv=notrunc status=none
        printf 'XY' | dd of=other/objects bs=1 seek=$((i + 64)) conv=notrunc status=none
        for command in "ls other" "cat other app:data" "tag other app stable" "rm other app"; do
            "$dxup" $command >log 2>&1
            [ $? -ge 2 ] || fail "$command at $i: $(cat log)"
            [ -s log ] && [ "$(wc -l <log)" -le 2 ] || fail "$command does not say why: $(cat log)"
        done
    done
}
a_full_disk_keeps_names() {
    mkdir "$work/mnt1"
    mount -t tmpfs -o size=1m none "$work/mnt1" 2>/dev/null || { skip "tmpfs cannot be mounted here"; return; }
    bytes 100000 >f
    expect 0 "$dxup" publish "$work/mnt1/store" app f --quiet
    dd if=/dev/zero of="$work/mnt1/filler" bs=1k 2>/dev/null
    for i in 1 2 3 4 5 6 7 8; do "$dxup" tag "$work/mnt1/store" app t$i --quiet 2>log || break; done
    says_file log "space"
    rm "$work/mnt1/filler"
    expect 0 "$dxup" verify "$work/mnt1/store"
    expect 0 "$dxup" tag "$work/mnt1/store" app t9
    expect 0 "$dxup" checkout "$work/mnt1/store" app@t9 out
    same f out
    "$dxup" cat "$work/mnt1/store" app >/dev/full 2>log
    [ $? = 5 ] || fail "cat to a full device"
}

for case in versions_in_the_same_words help_of_each_command topics_of_the_help options_by_command questions_that_have_no_answer errors_say_what_to_do messages_in_plain_words examples_of_the_help_work \
    manual_pages_are_clean completions_are_scripts committed_texts_are_current \
    completion_in_bash completion_of_moments completion_in_fish completion_in_zsh \
    names_versions_and_entries names_and_versions_of_a_server files_of_a_version paths_that_lead_elsewhere names_that_nobody_should_print a_version_is_pulled_by_its_number errors_name_the_top_of_a_tree tags_are_moved_and_taken_away \
    names_with_a_colon the_tag_latest_is_reserved tags_that_are_refused tag_killed_at_any_moment names_and_versions_are_removed what_changed_between_versions what_diff_says_is_sent \
    what_would_be_done paths_that_are_left_out json_of_all_commands progress_at_a_terminal stores_of_another_format a_full_disk_keeps_names; do
    run $case
done
finish
