#!/bin/bash
# Measures dx_hbtp.h beside a naive loop and beside other parsers; writes bench/results/hbtp.csv and a table of the goals.
# Peers that are not installed are left out (Debian: libwslay-dev libhiredis-dev
# libh2o-evloop-dev (its picohttpparser) libhttp-parser-dev libnghttp2-dev libjwt-dev libssl-dev)
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
mkdir -p build bench/results
flags= libs=
peer() { # NAME HEADER FLAGS...      used when a program that includes the header links
    local name=$1 header=$2
    shift 2
    if printf '%s\nint main(void) { return 0; }\n' "$header" | $CC -x c - -o build/has_peer "$@" 2>/dev/null; then
        flags="$flags -DHAS_$name" libs="$libs $*"
    else
        echo "not here: $name" >&2
    fi
}
peer WSLAY '#include <wslay/wslay.h>' -lwslay
peer HIREDIS '#include <hiredis/hiredis.h>' -lhiredis
peer PICO '' -lh2o-evloop
peer HTTP_PARSER '#include <http_parser.h>' -lhttp_parser
peer NGHTTP2 '#include <nghttp2/nghttp2.h>' -lnghttp2
peer OPENSSL '#include <openssl/evp.h>' -lcrypto
peer LIBJWT '#include <jwt.h>' -ljwt
$CC -std=gnu11 -O2 -Wall -Wextra $flags bench/bench_hbtp.c -o build/bench_hbtp $libs || exit 1
$CC -std=gnu11 -O2 -Wall -Wextra $flags -DDX_SHA256_PORTABLE bench/bench_hbtp.c -o build/bench_hbtp_portable $libs || exit 1

# Three whole runs; of each case the median of their medians.
csv=bench/results/hbtp.csv
for run in 1 2 3; do
    { build/bench_hbtp && build/bench_hbtp_portable jwt; } | awk -F, '!seen[$1, $2]++' >"build/bench_hbtp.$run" || exit 1
done
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $($CC --version | head -n 1), -O2; three runs of 15 rounds, medians"
    echo "subject,case,median_ns,least_ns"
    cat build/bench_hbtp.1 build/bench_hbtp.2 build/bench_hbtp.3 | grep -v ^subject | sort -t, -k1,1 -k2,2 -k3,3g |
        awk -F, '{ key = $1 "," $2; if (key != last) { n = 0; least = $4 } last = key; if ($4 < least) least = $4
                   if (++n == 2) middle = $3; if (n == 3) printf "%s,%s,%s\n", key, middle, least }'
} >$csv

awk -F, '/^#/ || /^subject/ { next } { ns[$1 " " $2] = $3 }
    function goal(text, a, b, most) {
        if (!(a in ns) || !(b in ns)) return
        printf "%-58s %8.2f %8.2f %7.2fx  %-10s %s\n", text, ns[a], ns[b], ns[a] / ns[b], "<= " most "x", (ns[a] / ns[b] <= most) ? "met" : "MISSED"
    }
    function faster(text, peer, a, least) {
        if (!(peer in ns)) return
        printf "%-58s %8.2f %8.2f %7.1fx  %-10s %s\n", text, ns[a], ns[peer], ns[peer] / ns[a], ">= " least "x", (ns[peer] / ns[a] >= least) ? "met" : "MISSED"
    }
    function limit(text, a, most) {
        if (a in ns) printf "%-58s %8.2f %8s %8s  %-10s %s\n", text, ns[a], "", "", "<= " most " ns", (ns[a] <= most) ? "met" : "MISSED"
    }
    END {
        printf "%-58s %8s %8s %8s  %-10s\n", "ns a message", "dx", "other", "ratio", "goal"
        goal("batch + table call in order, 24 bytes, one opcode / naive", "dx batch calls 24", "naive calls 24", 1.05)
        goal("parse one by one + table call / naive", "dx parse calls 24", "naive calls 24", 1.05)
        goal("batch decode, 24 bytes each / naive scan", "dx batch 24", "naive scan 24", 0.5)
        goal("batch decode, empty payloads / naive scan", "dx batch 0", "naive scan 0", 0.5)
        goal("batch decode, 0..63 bytes / naive scan", "dx batch 0..63", "naive scan 0..63", 1.12)
        goal("12 random opcodes, grouped / naive", "dx grouped calls random", "naive calls random", 0.6)
        limit("parse + route + reply written", "dx parse route reply", 5)
        limit("session: everything checked, dispatched", "dx session dispatch", 5)
        limit("session: call answered", "dx session call reply", 5)
        limit("route lookup, 256 routes", "dx lookup 256", 0.3)
        goal("route lookup, 256 routes / 1 route", "dx lookup 256", "dx lookup 1", 1.1)
        goal("three hooks, chain / by hand", "dx hooks chain", "naive hooks by hand", 1.05)
        goal("three hooks, chain / through pointers", "dx hooks chain", "naive hooks pointers", 0.5)
        faster("wslay, event API, 24 bytes", "wslay event 24", "dx batch calls 24", 20)
        faster("hiredis reader, SET of 24 bytes", "hiredis SET 24", "dx batch calls 24", 20)
        faster("picohttpparser, GET of 28 bytes", "picohttpparser GET 28", "dx batch calls 24", 5)
        faster("http_parser, GET of 28 bytes", "http_parser GET 28", "dx batch calls 24", 5)
        faster("nghttp2, 8 fields", "nghttp2 recv 8 fields", "dx batch calls 24", 250)
        limit("HS256 token of 179 bytes, portable", "dx jwt portable", 900)
        limit("HS256 token of 179 bytes, SHA-NI", "dx jwt SHA-NI", 250)
        faster("libjwt", "libjwt jwt_decode", "dx jwt portable", 10)
    }' $csv
echo "written: $csv"
