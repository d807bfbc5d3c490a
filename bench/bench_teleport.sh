#!/bin/bash
# Measures dx_teleport.h beside memcpy, plain structs and other formats; writes bench/results/teleport.csv and a table of ratios.
# Peers that are not installed are left out (Debian: libflatbuffers-dev flatbuffers-compiler libmsgpack-dev
# libprotobuf-c-dev protobuf-c-compiler; gcc-arm-none-eabi for sizes, nodejs for JavaScript).
set -u
cd "$(dirname "$0")/.." || exit 1
CXX=${CXX:-g++}
dir=build/bench_teleport.d
mkdir -p $dir bench/results
flags= libs=
has() { command -v "$1" >/dev/null || { echo "not here: $1" >&2; return 1; }; }
has flatc && flatc --cpp -o $dir bench/bench_teleport.fbs && flags="$flags -DHAS_FLATBUFFERS"
if has protoc-c && protoc-c --c_out=$dir --proto_path=bench bench/bench_teleport.proto; then
    gcc -O2 -c $dir/bench_teleport.pb-c.c -o $dir/pb.o && flags="$flags -DHAS_PROTOBUF_C" libs="$libs $dir/pb.o -lprotobuf-c"
fi
if echo '#include <msgpack.h>' | gcc -x c -fsyntax-only - 2>/dev/null; then
    flags="$flags -DHAS_MSGPACK" libs="$libs -lmsgpackc"
else
    echo "not here: msgpack-c" >&2
fi
$CXX -std=c++17 -O2 -Wall -Wextra -I$dir $flags bench/bench_teleport.cc -o build/bench_teleport $libs -lpthread || exit 1

# Code on a Cortex-M4: a program that writes, checks and reads a record, without the same program that does not.
m4_size() { # PARTS
    arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -Os -std=c11 -ffreestanding -DDX_TELEPORT_NO_RING -DDX_TELEPORT_NO_NAMES -DNDEBUG \
        -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-e,main -DPARTS="$1" bench/bench_teleport_m4.c \
        -fno-tree-loop-distribute-patterns -nostdlib -o $dir/m4.elf -lgcc && arm-none-eabi-size $dir/m4.elf | awk 'NR == 2 { print $1 + $2 }'
}

# Three whole runs; of each case the run with the median of medians.
csv=bench/results/teleport.csv
for run in 1 2 3; do
    build/bench_teleport >"$dir/run.$run" || exit 1
    if has node; then build/bench_teleport order | node bench/bench_teleport.mjs >>"$dir/run.$run" || exit 1; fi
done
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $($CXX --version | head -n 1), -O2; three runs of 9 rounds, medians"
    echo "subject,case,median_ns,least_ns,bytes"
    cat $dir/run.1 $dir/run.2 $dir/run.3 | sort -t, -k2,2 -k1,1 -k3,3g |
        awk -F, '{ key = $1 "," $2; if (key != last) { n = 0; least = $4 } last = key; if ($4 < least) least = $4
                   if (++n == 2) middle = $3; if (n == 3) print key "," middle "," least "," $5 }'
    if has arm-none-eabi-gcc; then
        base=$(m4_size 0)
        echo "dx_teleport,Cortex-M4 -Os code of a flat record,,,$(($(m4_size 1) - base))"
        echo "dx_teleport,Cortex-M4 -Os code of flat and nested,,,$(($(m4_size 2) - base))"
    fi
} >$csv

awk -F, '/^#/ || /^subject/ { next }
    { least[$2, $1] = $4; bytes[$2, $1] = $5; if (!($2 in seen)) { seen[$2] = 1; cases[++n] = $2 } if (!($1 in known)) { known[$1] = 1; subjects[++m] = $1 } }
    END { printf "%-42s %-12s %12s %9s %12s\n", "case", "subject", "least ns", "bytes", "dx / subject"
          for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) if ((cases[i], subjects[j]) in bytes) {
              x = least[cases[i], subjects[j]]; d = least[cases[i], "dx_teleport"]
              printf "%-42s %-12s %12s %9s %12s\n", cases[i], subjects[j], x, bytes[cases[i], subjects[j]], x && d && subjects[j] != "dx_teleport" ? sprintf("%.2f", d / x) : "" } }' $csv
