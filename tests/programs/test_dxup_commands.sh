#!/bin/bash
# The commands of dxup at a terminal: what they print, what they refuse, their help, manual pages and completions.
# usage: test_dxup_commands.sh [FILTER...]      as test_dxup.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/programs/kit.sh
dxpatch=${dxup%dxup}dxpatch dxecho=${dxup%dxup}dxecho
programs="$dxup $dxpatch $dxecho"

# >>version and help
versions_in_the_same_words() {
    for program in $programs; do
        expect 0 "$program" --version
        [[ $out =~ ^${program##*/}\ [0-9]+\.[0-9]+\.[0-9]+\ \((no\ zstd|zstd\ [0-9.]+),\ no\ TLS\)$ ]] || fail "$out"
    done
    case $("$dxup" --version) in *"(zstd"*) grep -q ZSTD_compress2 "$dxup" || fail "there is no zstd in it" ;; esac
}
help_of_each_command() {
    for program in $programs; do
        tool=${program##*/}
        expect 0 "$program" help
        commands=$(echo "$out" | sed -n "s/^  $tool \([a-z-]*\).*/\1/p")
        [ "$tool" = dxecho ] || [ "$(echo "$commands" | wc -l)" -ge 6 ] || fail "$tool has no commands: $out"
        expect 0 "$program" --help
        for command in $commands ''; do
            [ -n "$command" ] || [ "$tool" = dxecho ] || continue
            expect 0 "$program" help $command
            helped=$out
            for part in "usage: $tool $command" Examples: "Exit status:" "  0  done"; do says "$part"; done
            [ -z "$command" ] || expect 0 "$program" $command --help
            [ "$out" = "$helped" ] || fail "$tool $command --help differs from $tool help $command"
            echo "$out" | grep -q '\\x' && fail "a control character in the help: $out"
            [ -z "$(echo "$out" | awk 'length($0) > 100')" ] || fail "a line of more than 100 columns"
            for option in $(echo "$out" | sed -n 's/^  \(--[a-z-]*\).*/\1/p'); do # the parser knows what the help shows
                "$program" $command $option </dev/null 2>&1 | grep -q "has no option" && fail "$tool $command: $option"
            done
        done
    done
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
    expect 1 "$dxup" publish store app
    says "publish needs more arguments: dxup publish STORE NAME PATH"
    expect 1 "$dxup" publish store app x --keep 1
    says "see 'dxup help publish'"
    expect 2 "$dxup" publish store app -- --help # behind -- nothing is an option
    says "--help: no such file"
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
    bytes 1000 >notes.txt
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
        # what is after words in quotes or at the start of a line is not lost
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

for case in versions_in_the_same_words help_of_each_command questions_that_have_no_answer examples_of_the_help_work \
    manual_pages_are_clean completions_are_scripts committed_texts_are_current \
    completion_in_bash completion_in_fish completion_in_zsh; do
    run $case
done
finish
