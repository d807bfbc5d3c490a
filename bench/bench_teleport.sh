#!/bin/bash
# Measures dx_teleport.h beside memcpy, plain structs and other formats; writes bench/results/teleport.csv, prints a table of ratios and the
# bars. Peers that are not installed are named and left out (Debian: libflatbuffers-dev flatbuffers-compiler libmsgpack-dev libprotobuf-c-dev
# protobuf-c-compiler protobuf-compiler libnanopb-dev nanopb capnproto libcapnp-dev libcbor-dev; gcc-arm-none-eabi for sizes, nodejs for JavaScript).
set -u
cd "$(dirname "$0")/.." || exit 1
CXX=${CXX:-g++}
dir=build/bench_teleport.d
mkdir -p $dir bench/results
flags= libs=
has() { command -v "$1" >/dev/null || { echo "not here: $1" >&2; return 1; }; }
header() { echo "#include <$1>" | gcc -x c -fsyntax-only - 2>/dev/null || { echo "not here: $1" >&2; return 1; }; }
peer() { # NAME LIBRARIES: is measured
    flags="$flags -DHAS_$1" libs="$libs $2"
}
has flatc && flatc --cpp -o $dir bench/bench_teleport.fbs && peer FLATBUFFERS ""
has protoc-c && protoc-c --c_out=$dir --proto_path=bench bench/bench_teleport.proto &&
    gcc -O2 -c $dir/bench_teleport.pb-c.c -o $dir/pb.o && peer PROTOBUF_C "$dir/pb.o -lprotobuf-c"
has nanopb_generator.py && header pb_encode.h &&
    (cd bench && nanopb_generator.py -q -D ../$dir -I . -f bench_teleport.options bench_teleport.proto) &&
    gcc -O2 -I$dir -c $dir/bench_teleport.pb.c -o $dir/nanopb.o && gcc -O2 -Wall -Wextra -I$dir -c bench/bench_teleport_nanopb.c -o $dir/nanopb_use.o &&
    peer NANOPB "$dir/nanopb.o $dir/nanopb_use.o -lprotobuf-nanopb"
has capnp && (cd bench && capnp compile -oc++:../$dir bench_teleport.capnp) &&
    $CXX -O2 -c $dir/bench_teleport.capnp.c++ -o $dir/capnp.o && peer CAPNP "$dir/capnp.o -lcapnp -lkj"
header msgpack.h && peer MSGPACK -lmsgpackc
header cbor.h && peer CBOR -lcbor
$CXX -std=c++17 -O2 -Wall -Wextra -I$dir $flags bench/bench_teleport.cc -o build/bench_teleport $libs -lpthread || exit 1

# Code on a Cortex-M4: a program that writes, checks and reads a record, without the same program that does not.
m4_size() { # PARTS [FLAGS]
    arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -Os -std=c11 -ffreestanding -DDX_TELEPORT_NO_NAMES -DNDEBUG -DDX_TELEPORT_INLINE=1 \
        -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-e,main -DPARTS="$1" ${2:-} bench/bench_teleport_m4.c \
        -fno-tree-loop-distribute-patterns -nostdlib -o $dir/m4.elf -lgcc && arm-none-eabi-size $dir/m4.elf | awk 'NR == 2 { print $1 + $2 }'
}

# Three whole runs; of each case the run with the median of medians.
csv=bench/results/teleport.csv
for run in 1 2 3; do
    build/bench_teleport >"$dir/run.$run" || exit 1
    if has node; then build/bench_teleport order | node bench/bench_teleport.mjs >>"$dir/run.$run" || exit 1; fi
done
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $($CXX --version | head -n 1), -O2; three runs of 9 rounds, medians"
    [ "$(nproc)" -gt 3 ] || echo "# Rows between two threads or processes say little here: with $(nproc) cores, other work on this machine takes one of the two ends off its core."
    echo "subject,case,median_ns,least_ns,bytes,allocations"
    cat $dir/run.1 $dir/run.2 $dir/run.3 | sort -t, -k2,2 -k1,1 -k3,3g |
        awk -F, '{ key = $1 "," $2; if (key != last) { n = 0; least = $4 } last = key; if ($4 < least) least = $4
                   if (++n == 2) middle = $3; if (n == 3) print key "," middle "," least "," $5 "," $6 }'
    if has arm-none-eabi-gcc; then
        base=$(m4_size 0)
        echo "dx_teleport,Cortex-M4 -Os code of a flat record,,,$(($(m4_size 1) - base)),"
        echo "dx_teleport,Cortex-M4 -Os code of a flat record with bytes for text,,,$(($(m4_size 1 -DBYTES) - base)),"
        echo "dx_teleport,Cortex-M4 -Os code of flat and nested,,,$(($(m4_size 2) - base)),"
        echo "dx_teleport,Cortex-M4 -Os code of flat and nested with bytes for text,,,$(($(m4_size 2 -DBYTES) - base)),"
    fi
    echo "teleport.js,gzipped,,,$(sed -E 's|^ *//.*||; s/^ +//' examples/www/teleport.js | grep -v '^$' | gzip -9n | wc -c),"
} >$csv

awk -F, '/^#/ || /^subject/ { next }
    { least[$2, $1] = $4; bytes[$2, $1] = $5; if (!($2 in seen)) { seen[$2] = 1; cases[++n] = $2 } if (!($1 in known)) { known[$1] = 1; subjects[++m] = $1 } }
    END { printf "%-42s %-12s %12s %9s %12s\n", "case", "subject", "least ns", "bytes", "dx / subject"
          for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) if ((cases[i], subjects[j]) in bytes) {
              x = least[cases[i], subjects[j]]; d = least[cases[i], "dx_teleport"]
              printf "%-42s %-12s %12s %9s %12s\n", cases[i], subjects[j], x, bytes[cases[i], subjects[j]], x && d && subjects[j] != "dx_teleport" ? sprintf("%.2f", d / x) : "" } }' $csv

# The bars, by least times: what is asked of dx_teleport.h, and what it reached here. 24 references are in the order.
awk -F, '/^#/ || /^subject/ { next }
    { t[$1 "," $2] = $4; b[$1 "," $2] = $5; if ($1 == "dx_teleport" && $6 > 0) allocations += $6 }
    function bar(what, value, limit, most) { # most: may the value be the limit at most?
        if (value == "") { printf "%-58s %9s\n", what, "no figure"; return }
        printf "%-58s %9.3g %s %-7g %s\n", what, value, most ? "<=" : ">=", limit, (most ? value <= limit : value >= limit) ? "held" : "missed"
    }
    function ratio(x, y) { return (x in t) && (y in t) && t[y] + 0 ? t[x] / t[y] : "" }
    END {
        d = "dx_teleport,"; print ""; print "bar"
        bar("user encode / memcpy", ratio(d "user encode", "memcpy,user encode"), 2, 1)
        bar("order encode / memcpy", ratio(d "order encode", "memcpy,order encode"), 5, 1)
        bar("order encode, faster than FlatBuffers", ratio("FlatBuffers,order encode", d "order encode"), 20)
        bar("order encode, faster than Cap\047n Proto", ratio("Cap\047n Proto,order encode", d "order encode"), 8)
        bar("order encode, faster than msgpack-c", ratio("msgpack-c,order encode", d "order encode"), 8)
        bar("64 KiB slice encode, of the speed of memcpy", ratio("memcpy,64 KiB slice encode", d "64 KiB slice encode"), 0.95)
        if ((d "order open text as bytes") in t) bar("verify, ns a reference", t[d "order open text as bytes"] / 24, 0.55, 1)
        if ((d "order open") in t) bar("verify with UTF-8, ns a reference", t[d "order open"] / 24, 0.55, 1)
        bar("order verify, faster than FlatBuffers", ratio("FlatBuffers,order open", d "order open text as bytes"), 20)
        bar("order verify with UTF-8, faster than FlatBuffers", ratio("FlatBuffers,order open", d "order open"), 20)
        bar("bulk verify with UTF-8, faster than FlatBuffers", ratio("FlatBuffers,bulk open", d "bulk open"), 10)
        bar("order verified read / raw struct", ratio(d "order open+read", "raw struct,order read"), 1.35, 1)
        bar("bulk verified read / raw struct", ratio(d "bulk open+read", "raw struct,bulk open+read"), 1.35, 1)
        bar("misaligned / aligned", ratio(d "order open+read misaligned", d "order open+read"), 1.1, 1)
        bar("allocations", allocations + 0, 0, 1)
        if (("FlatBuffers,order encode") in b) bar("order bytes / FlatBuffers", b[d "order encode"] / b["FlatBuffers,order encode"], 0.85, 1)
        bar("Cortex-M4 flat, bytes", b[d "Cortex-M4 -Os code of a flat record"], 256, 1)
        bar("Cortex-M4 flat with bytes for text, bytes", b[d "Cortex-M4 -Os code of a flat record with bytes for text"], 256, 1)
        bar("Cortex-M4 flat and nested, bytes", b[d "Cortex-M4 -Os code of flat and nested"], 1024, 1)
        bar("Cortex-M4 flat and nested with bytes for text, bytes", b[d "Cortex-M4 -Os code of flat and nested with bytes for text"], 1024, 1)
        if ((d "16-byte records between two threads") in t) bar("ring, million records a second", 1000 / t[d "16-byte records between two threads"], 100)
        if ((d "16-byte records between two threads in batches of 64") in t)
            bar("ring in batches of 64, million records a second", 1000 / t[d "16-byte records between two threads in batches of 64"], 100)
        if ((d "one way between two threads") in t) bar("ring, ns one way", t[d "one way between two threads"], 60, 1)
        bar("ring, processes / threads", ratio(d "16-byte records between two processes", d "16-byte records between two threads"), 1.1, 1)
        bar("JavaScript, gzipped bytes", b["teleport.js,gzipped"], 2047, 1)
        bar("JavaScript read all, faster than JSON.parse", ratio("JSON.parse,order open+read in node", "teleport.js,order open+read in node"), 5)
        bar("JavaScript read one, faster than JSON.parse", ratio("JSON.parse,order open+read one value in node", "teleport.js,order open+read one value in node"), 50)
    }' $csv
