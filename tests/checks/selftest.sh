#!/bin/bash
# Every gate passes on a small sound house and fails when that house is broken: a gate that cannot fail proves nothing.
. "$(dirname "$0")/lib.sh"
export JOBS=2

house() { # FOLDER       a sound house: two headers, a hello program for each, a bench, documents, a Makefile that installs
    mkdir -p "$1/examples/hello" "$1/bin" && cp "$checks/dx_sample.h" "$1" && cp LICENSE "$1" || return
    (
        cd "$1" || exit
        sed 's/dx_sample/dx_second/g; s/DX_SAMPLE/DX_SECOND/g' dx_sample.h >dx_second.h
        for name in sample second; do
            printf '/* Says hello.\n   cc -o hello_%s examples/hello/hello_%s.c */\n#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' \
                $name $name >examples/hello/hello_$name.c
            echo hello >examples/hello/hello_$name.expected
        done
        printf 'make demo, make test\n```c\nint main(void)\n{\n    return 0;\n}\n```\n' >README.md
        printf '## 0.1.0\n' >CHANGELOG.md
        mkdir bench && printf '#include "../dx_sample.h"\nint main(void) { return 0; }\n' >bench/bench_sample.c
        # The install recipe is the project's own, with the two headers of this house and programs that do nothing.
        cp -r "$top/dx.pc.in" "$top/Makefile" "$top/mk" .
        mkdir docs && cp -r "$top/docs/man" "$top/docs/completions" docs
        sed -i 's/^HEADERS := .*/HEADERS := dx_sample.h dx_second.h/' Makefile
        sed -i 's/^install: [^#]*/install: /; /^\tinstall -m 755/s/build\//bin\//g' mk/install.mk
        # Which programs are installed depends on the libraries of this machine: the Makefile says.
        for program in $(printf 'include Makefile\nnames: ; @echo $(INSTALLED)\n' | make -s -f - names); do
            printf '#!/bin/sh\nexit 0\n' >"bin/$program"
        done
        chmod +x bin/*
    )
}

# With a layer, dx_storey.h: it depends on dx_second.h, and its head comment has what a product's has.
storey() { # FOLDER
    house "$1" && mkdir -p "$1/layers" || return
    awk '/^    CONTENTS/ { printf "    Do this in ONE C or C++ file:  #define DX_SAMPLE_IMPLEMENTATION\n\n"
                           contents = $0
                           next }
         /^\*\/$/ && contents { print contents; for (i = split("GUARANTEES LIMITS SIZE THREADS CONFIG ERRORS OWNERSHIP", part, " "); i > 0; i--) print "    " part[i] "  none"
                             contents = "" }
         { print }
         /^#include <stdint.h>/ { print "#ifndef DX_SECOND_H\n#include \"../dx_second.h\"\n#endif" }' "$1/dx_sample.h" |
        sed 's/dx_sample/dx_storey/g; s/DX_SAMPLE/DX_STOREY/g' >"$1/layers/dx_storey.h"
}
# With a part that a switch removes, and a true table of the savings.
switched() { # FOLDER
    local all less
    house "$1" || return
    (
        cd "$1" || exit
        sed -i '/>>public/a #ifndef DX_SAMPLE_NO_MORE\nDX_SAMPLE_API uint32_t dx_sample_more(uint32_t value)\n{\n    uint32_t i;\n    for (i = 0; i < 9; i++) value = value * 31 + (value >> i) % 7;\n    return value;\n}\n#endif' dx_sample.h
        sed -i '/^DX_SAMPLE_API int         dx_sample_init/i #ifndef DX_SAMPLE_NO_MORE\nDX_SAMPLE_API uint32_t dx_sample_more(uint32_t value);\n#endif' dx_sample.h
        all=$(thumb) && less=$(thumb -DDX_SAMPLE_NO_MORE) && [ "$less" -lt "$all" ] || exit
        sed -i "/^    CONTENTS/i \    SWITCHES    bytes\n        in all  $all\n        DX_SAMPLE_NO_MORE  more  $((all - less))\n        together  $((all - less))\n" dx_sample.h
    )
}
thumb() { # OPTIONS...     bytes of dx_sample.h on a Cortex-M0
    arm-none-eabi-gcc -std=c99 -Os -DNDEBUG -mcpu=cortex-m0 -mthumb -ffreestanding -DDX_IMPLEMENTATION "$@" -I. -DHEADER='"dx_sample.h"' \
        -c "$one" -o thumb.o && arm-none-eabi-size thumb.o | awk 'NR == 2 { print $1 }'
    rm -f thumb.o
}
new_house() { # GATE FOLDER
    case $1 in layers) storey "$2" ;; switches) switched "$2" ;; *) house "$2" ;; esac
}

# The command, run inside a sound house, breaks it in a way that the gate must detect.
breaks() { # GATE COMMAND
    local folder=$(mktemp -d -p "$work")
    new_house "$1" "$folder" || return
    (cd "$folder" && bash -c "$2") || { echo "could not break it: $2"; return; }
    if DX_TOP=$folder "$checks/$1.sh" >"$folder.log" 2>&1; then
        echo "$1 passed although: $2"
    elif ! grep -q '^FAIL ' "$folder.log"; then
        echo "$1 fell over:"
        tail -n 5 "$folder.log"
    fi
}
sound() { # GATE
    local folder
    folder=$(mktemp -d -p "$work")
    new_house "$1" "$folder" || return
    DX_TOP=$folder "$checks/$1.sh" >"$folder.log" 2>&1 || cat "$folder.log"
    # A gate that aborted may still report no failure.
    grep -vE "^(ok|skip|FAIL|    ) |^$1: " "$folder.log"
    return 0
}
code() { echo "sed -i '/>>public/a $1' dx_sample.h"; } # a line at the beginning of the public functions

# The table of switches is about one compiler's output.
if ! has arm-none-eabi-gcc || [ "$(arm-none-eabi-gcc -dumpversion | cut -d. -f1)" != 12 ]; then
    skip "switches" "no arm-none-eabi-gcc 12, of which its tables are"
    without="switches"
fi
for script in "$checks"/*.sh; do
    name=$(basename "$script" .sh)
    [ "$name" != "${without:-}" ] || continue
    case $name in lib | size | selftest | portable | hbtp | footprint | teleport_ports | patch | lanes | rfc6962 | vendoring | commands | teleport_peer) continue ;; esac
    try "$name on a sound house" sound "$name"
done
while IFS="|" read -r which name command; do
    [ -n "$which" ] && [ "$which" != "${without:-}" ] && try "$which sees $name" breaks "$which" "$command"
done <<END
strict|a sign conversion|sed -i 's/(uint16_t)(value & 0xffff)/value/' dx_sample.h
strict|a shadowed name|$(code 'int dx_sample_f(int s); int dx_sample_f(int s) { { int s = 1; (void)s; } return s; }')
strict|a missing prototype|$(code 'int dx_sample_f(void) { return 1; }')
strict|a static mode half done|sed -i 's/^DX_SAMPLE_API int         dx_sample_init/int dx_sample_init/' dx_sample.h
cxx|a pointer without a cast|$(code 'static void *dx_sample_p_v(void *p) { char *q = p; return q; }')
cxx|a word of C++|sed -i 's/uint32_t value)/uint32_t class)/' dx_sample.h
benches|a header that only users of a peer have|echo '#include <peer/peer.h>' >>bench/bench_sample.c
benches|a warning|echo 'void f(void) { int unused; }' >>bench/bench_sample.c
orders|a need for another header|sed -i 's/^typedef struct dx_sample {/typedef dx_second_error dx_sample_e;\n&/' dx_sample.h
orders|a missing guard|sed -i 's/^#ifndef DX_SAMPLE_H/#if 1/' dx_sample.h
renamed|a name without prefix|sed -i '/>>types/a typedef struct point { int x; } point;' dx_sample.h
renamed|a symbol without prefix|$(code 'int helper(void); int helper(void) { return 1; }')
symbols|a symbol without prefix|$(code 'int helper(void); int helper(void) { return 1; }')
symbols|a macro without prefix|sed -i '/>>types/a #define MAX_SIZE 5' dx_sample.h
symbols|a private macro left behind|$(code '#define LOCAL(x) (x)')
symbols|a global variable|$(code 'static int dx_sample_p_calls; int dx_sample_count(void) { return ++dx_sample_p_calls; }')
symbols|a symbol in static mode|$(code 'int dx_sample_f(void); int dx_sample_f(void) { return 1; }')
freestanding|a call of strlen|$(code '#include <string.h>\nsize_t dx_sample_f(const char *s) { return strlen(s); }')
freestanding|a call of malloc|$(code 'void *malloc(size_t n); void *dx_sample_f(size_t n) { return malloc(n); }')
vendored|an include of a file beside it|sed -i '/#include <stdint.h>/a #include "dx_second.h"' dx_sample.h
errors|another value|sed -i 's/DX_SAMPLE_EAGAIN = -6/DX_SAMPLE_EAGAIN = -60/' dx_sample.h
errors|a wrong name|sed -i 's/"DX_SAMPLE_ESYS"/"DX_SAMPLE_SYS"/' dx_sample.h
shared|a copy that differs|sed -i 's/p\[0\] = (uint8_t)(v & 0xff);/p[0] = (uint8_t)v;/' dx_sample.h
hello|other output|echo more >>examples/hello/hello_sample.expected
hello|no cc line|sed -i 's/cc -o/build with/' examples/hello/hello_sample.c
hello|a failure|sed -i 's/return 0/return 1/' examples/hello/hello_sample.c
hello|a long program|seq 200 | sed 's,.*,/* & */,' >>examples/hello/hello_sample.c
docexamples|an example that does not compile|sed -i 's/dx_sample_init(&s, 3)/dx_sample_init(\&s)/' dx_sample.h
docexamples|an example that fails|sed -i 's/dx_sample_init(&s, 3) != DX/dx_sample_init(\&s, 3) == DX/' dx_sample.h
docexamples|a README that is wrong|sed -i 's/return 0;/return x;/' README.md
limits|a wide line|sed -i '/>>types/a /* $(printf '%0100d' 0) */' dx_sample.h
limits|a long function|sed -i '/^    if (!s) return/r /dev/stdin' dx_sample.h < <(seq 80 | sed 's,.*,    /* & */,')
limits|an include of another header|sed -i '/#include <stdint.h>/a #include "dx_second.h"' dx_sample.h
limits|a system header|sed -i '/#include <stdint.h>/a #include <stdio.h>' dx_sample.h
limits|another version|sed -i 's/0x000100/0x000101/' dx_sample.h
limits|no change log entry|echo >CHANGELOG.md
limits|a time that may be an instant or a length|sed -i '/^DX_SAMPLE_API int         dx_sample_init/i DX_SAMPLE_API int dx_sample_wait(dx_sample *s, uint64_t within_ns);' dx_sample.h
limits|a field of the same|sed -i 's/^typedef struct dx_sample {/&\n    uint64_t when_ns;/' dx_sample.h
limits|a deadline of no clock|sed -i '/^DX_SAMPLE_API int         dx_sample_init/i \\n/* Waits. */\nDX_SAMPLE_API int dx_sample_wait(dx_sample *s, uint64_t deadline_ns);' dx_sample.h
limits|two sections with one name|sed -i 's,^/. >>public,/* >>types ---- */\n&,' dx_sample.h
limits|a mark of no section|sed -i '/>>public/a /* As >>nowhere says. */' dx_sample.h
limits|a call of what is further down|$(code 'static int dx_sample_p_up(void);\nstatic int dx_sample_p_down(void) { return dx_sample_p_up(); }\n/* >>later --- */\nstatic int dx_sample_p_up(void)\n{\n    return dx_sample_p_down();\n}')
limits|no licence|sed -i 's/public domain/garden/' dx_sample.h
limits|unfinished work|sed -i '/>>types/a /* TO''DO */' dx_sample.h
limits|a path of a machine|echo 'see /wo''rk/main' >>README.md
floors|a core that includes another|sed -i '/#include <stdint.h>/a #include "dx_second.h"' dx_sample.h
floors|a core that includes a layer|mkdir layers && touch layers/dx_up.h && sed -i '/#include <stdint.h>/a #include "layers/dx_up.h"' dx_sample.h
floors|a core that names a layer|sed -i '/>>public/a /* see layers/dx_up.h */' dx_sample.h
floors|a layer that includes a program|mkdir -p layers programs/a && touch programs/a/a.h && echo '#include "../programs/a/a.h"' >layers/dx_up.h
floors|layers in a circle|mkdir layers && echo '#include "dx_b.h"' >layers/dx_a.h && echo '#include "dx_a.h"' >layers/dx_b.h
floors|an example that includes a program|mkdir -p examples/b programs/a && touch programs/a/a.h && echo '#include "../../programs/a/a.h"' >examples/b/b.c
floors|a program that includes another|mkdir -p programs/a programs/b && touch programs/a/a.h && echo '#include "../a/a.h"' >programs/b/b.c
floors|files that call each other|mkdir -p programs/a && echo 'int f(int x) { return g(x); }' >programs/a/f.c && echo 'int g(int x) { return f(x); }' >programs/a/g.c
floors|rooms that call each other|mkdir -p programs/a/x programs/a/y && echo 'int f(int x) { return g(x); }' >programs/a/x/f.c && echo 'int g(int x) { return x; } int h(int x) { return x; }' | sed 's/ int h/\nint h/' >programs/a/y/g.c && echo 'int i(int x) { return k(x); }' >programs/a/y/i.c && echo 'int k(int x) { return x; }' >programs/a/x/k.c
floors|common files that call a program|mkdir -p programs/a programs/common && echo 'int f(int x) { return x; }' >programs/a/f.c && echo 'int g(int x) { return f(x); }' >programs/common/g.c
floors|common files that call the versions|mkdir -p programs/b programs/common programs/versions && echo 'int h(void);' >programs/b/h.c && echo 'int f(int x) { return x; }' >programs/versions/f.c && echo 'int g(int x) { return f(x); }' >programs/common/g.c
floors|a private name in a layer|mkdir layers && echo 'static inline int dx_up_f(int x) { return dx_sample_p_fits(x); }' >layers/dx_up.h
floors|a private field in a program|mkdir -p programs/a && echo 'int f(dx_sample *s) { return (int)s->size_; }' >programs/a/f.c
messages|a period at the end|mkdir -p programs/a && echo 'int f(const char *p) { return prog_fail(PROG_USAGE, "%s is bad.", p); }' >programs/a/a.c
messages|a capital in front|mkdir -p programs/a && echo 'int f(const char *p) { return prog_fail(PROG_USAGE, "Bad: %s", p); }' >programs/a/a.c
messages|a line break|mkdir -p programs/a && echo 'void f(const char *p) { prog_warn("%s is bad\n", p); }' >programs/a/a.c
messages|a failure of nothing|mkdir -p programs/a && echo 'int f(void) { return prog_fail_errno("reading a file"); }' >programs/a/a.c
messages|a reason with a period|mkdir -p programs/a && printf 'int g(const char *why);\nint f(void) { return g("it is bad."); }\n' >programs/a/a.c
messages|a help text with a period|mkdir -p programs/a && echo 'option o = {.help = "print it."};' >programs/a/a.c
layers|a layer that the table does not know|cp layers/dx_storey.h layers/dx_unknown.h
layers|a sign conversion|sed -i 's/(uint16_t)(value & 0xffff)/value/' layers/dx_storey.h
layers|a static mode half done|sed -i 's/^DX_STOREY_API int         dx_storey_init/int dx_storey_init/' layers/dx_storey.h
layers|a pointer without a cast|sed -i '/>>public/a static inline void *dx_storey_p_v(void *p) { char *q = p; return q; }' layers/dx_storey.h
layers|a missing guard|sed -i 's/^#ifndef DX_STOREY_H/#if 1/' layers/dx_storey.h
layers|a call of strlen|sed -i '/>>public/a size_t strlen(const char *s); size_t dx_storey_f(const char *s); size_t dx_storey_f(const char *s) { return strlen(s); }' layers/dx_storey.h
layers|a symbol without prefix|sed -i '/>>public/a int helper(void); int helper(void) { return 1; }' layers/dx_storey.h
layers|a global variable|sed -i '/>>public/a static int dx_storey_p_calls; int dx_storey_count(void); int dx_storey_count(void) { return ++dx_storey_p_calls; }' layers/dx_storey.h
layers|a macro without prefix|sed -i '/>>types/a #define MAX_SIZE 5' layers/dx_storey.h
layers|an include that a flat copy does not find|sed -i '/^#ifndef DX_SECOND_H/d; /dx_second.h/{n;d}' layers/dx_storey.h
layers|a system header|sed -i '/#include <stdint.h>/a #include <stdio.h>' layers/dx_storey.h
layers|a head comment without limits|sed -i '/^    LIMITS/d' layers/dx_storey.h
layers|a word of CONTENTS without a section|sed -i 's,>>public,public,' layers/dx_storey.h
layers|a section that CONTENTS does not name|sed -i "s,^/. >>public,/* >>more --- */\n&," layers/dx_storey.h
layers|an example that fails|sed -i 's/dx_storey_init(&s, 3) != DX/dx_storey_init(\&s, 3) == DX/' layers/dx_storey.h
layers|a long function|sed -i '/^    if (!s) return/r /dev/stdin' layers/dx_storey.h < <(seq 80 | sed 's,.*,    /* & */,')
layers|another version|sed -i 's/0x000100/0x000101/' layers/dx_storey.h
layers|no licence|sed -i '/>>license/d' layers/dx_storey.h
shared|a copy outside a section that differs|sed -i 's/>>shared/>>other/; s/p\[0\] = (uint8_t)(v & 0xff);/p[0] = (uint8_t)v;/' dx_sample.h
shared|a copy in a layer that differs|mkdir layers && sed 's/dx_sample/dx_up/g; s/DX_SAMPLE/DX_UP/g; s/p.0. = (uint8_t)(v & 0xff);/p[0] = (uint8_t)v;/' dx_sample.h >layers/dx_up.h
install|a missing header|sed -i 's/^HEADERS := .*/HEADERS := dx_sample.h/' Makefile
switches|a saving that is wrong by 3 %|sed -i -E 's/^(        DX_SAMPLE_NO_MORE  more  )(.*)/echo "\1"\$((\2 * 103 \/ 100 + 1))/e' dx_sample.h
switches|a size that is wrong by 3 %|sed -i -E 's/^(        in all  )(.*)/echo "\1"\$((\2 * 103 \/ 100 + 1))/e' dx_sample.h
switches|a switch that leaves out nothing|sed -i '/^#ifndef DX_SAMPLE_NO_MORE/s/NO_MORE/NO_LESS/' dx_sample.h
switches|a table without a line|sed -i '/^        together/d' dx_sample.h
install|a broken pkg-config file|sed -i 's/^Cflags.*//' dx.pc.in
END

# The runner adds up what suites report, and treats silence, a crash and a hang as failures.
counted() { # LAST-LINE STATUS SUITE...
    local last=$1 status=$2 folder got
    shift 2
    folder=$(mktemp -d -p "$work")
    printf 'some %s\n' "$@" >"$folder/suites.txt"
    got=$(CI='' LOGS=$folder/log SUITES=$folder/suites.txt "$top/tests/run.sh" some 2>/dev/null | tail -n 1; exit "${PIPESTATUS[0]}")
    [ $? = "$status" ] || echo "another status than $status"
    [ "$got" = "$last" ] || echo "says '$got' instead of '$last'"
}
reasons='for i in 1 2 3; do echo "skip part $i: no tool"; done'
good="$reasons; echo 'x: 12 passed, 0 failed, 3 skipped'"
try "run.sh adds up" counted "24 passed, 0 failed, 6 skipped" 0 "a 60 $good" "!b 60 $good"
try "run.sh sees failures" counted "13 passed, 11 failed, 3 skipped" 1 "a 60 $good" "b 60 echo 1 passed, 11 failed, 0 skipped; exit 1"
try "run.sh sees a status" counted "12 passed, 1 failed, 3 skipped" 1 "a 60 $good; exit 3"
try "run.sh sees a crash" counted "12 passed, 1 failed, 3 skipped" 1 "a 60 $good" 'b 60 kill -SEGV $$'
try "run.sh sees a hang" counted "13 passed, 1 failed, 3 skipped" 1 "a 60 $good" "b 5 echo 1 passed, 0 failed, 0 skipped; sleep 600"
try "run.sh sees a skip without a reason" counted "12 passed, 1 failed, 3 skipped" 1 "a 60 echo skip x: y; echo 12 passed, 0 failed, 3 skipped"
shown() { # TEXT SUITE...      must be in the summary, after all suites
    local text=$1 folder
    shift
    folder=$(mktemp -d -p "$work")
    printf 'some %s\n' "$@" >"$folder/suites.txt"
    CI='' LOGS=$folder/log SUITES=$folder/suites.txt "$top/tests/run.sh" some 2>/dev/null | sed -n '/^\(skipped\|unsteady\|failed\):/,$p' | grep -qaF "$text" || echo "'$text' is not in the summary"
}
try "run.sh shows reasons" shown "a: part 2: no tool" "a 60 $good"
try "run.sh shows at its end what failed" shown "b: part 3: bad" "a 60 $good" "b 60 echo FAIL part 3: bad; seq 200; echo 5 passed, 1 failed, 0 skipped"
try "run.sh shows reasons that quote raw bytes" shown "a: all: it said [31mx" "a 60 printf 'skip all: it said \\033[31mx\\000\\n0 passed, 0 failed, 1 skipped\\n'"
# The second run of a suite that is marked unsteady counts if it passes; for any other suite it does not.
twice='echo more >>$LOGS/../runs; runs=$(wc -l <$LOGS/../runs)' # how often it was run
steady="$twice; [ \$runs != 1 ] || { echo 'FAIL part 7: stalled'; echo 5 passed, 1 failed, 0 skipped; exit 1; }; echo 6 passed, 0 failed, 0 skipped"
stalls="$twice; [ \$runs != 1 ] || sleep 600; echo 6 passed, 0 failed, 0 skipped"
try "run.sh counts the second run of an unsteady suite" counted "18 passed, 0 failed, 3 skipped" 0 "a 60 $good" "~b 60 $steady"
try "run.sh counts the second run of an unsteady suite that hung" counted "6 passed, 0 failed, 0 skipped" 0 "~b 5 $stalls"
part="[ -n \"\$DX_CASES\" ] && [ \"\$DX_CASES\" != y ] && exit 1; [ -n \"\$DX_CASES\" ] && { echo 'ok   y'; echo 1 passed, 0 failed, 0 skipped; exit; }"
try "run.sh repeats the failed case alone" counted "6 passed, 0 failed, 1 skipped" 0 \
    "~b 60 $part; echo 'skip z: none'; echo 'FAIL y (3 s): stalled'; echo 5 passed, 1 failed, 1 skipped; exit 1"
try "run.sh repeats all of a suite that names no case" counted "6 passed, 0 failed, 0 skipped" 0 "~b 60 $twice; [ \$runs != 1 ] || exit 7; echo 6 passed, 0 failed, 0 skipped"
try "run.sh shows what was unsteady" shown "b: part 7: stalled" "~b 60 $steady"
try "run.sh takes one failure of any other suite for one" counted "17 passed, 1 failed, 3 skipped" 1 "a 60 $good" "b 60 $steady"
try "run.sh fails an unsteady suite that fails twice" counted "5 passed, 1 failed, 0 skipped" 1 "~b 60 $twice; echo 5 passed, 1 failed, 0 skipped; exit 1"
try "run.sh fails an unsteady suite that crashes twice" counted "0 passed, 1 failed, 0 skipped" 1 '~b 60 kill -SEGV $$'
try "run.sh sees nothing" counted "12 passed, 1 failed, 3 skipped" 1 "a 60 $good" "b 60 true"
try "run.sh runs one suite for each of a set" counted "2 passed, 0 failed, 0 skipped" 0 \
    "x_{} 60 each a b c -b: echo {}: 1 passed, 0 failed, 0 skipped"
try "run.sh skips what needs a library" shown "x: not installed: no_such_library" "x 60 needs no_such_library: false"
finish
