#!/bin/bash
# Each bench is built as `make bench-...` builds it without any peer installed: if a bench compiles only with its peers,
# nobody else notices when it breaks. Benches that need a peer to be built at all, or are a part of another bench, are
# listed here.
. "$(dirname "$0")/lib.sh"

needs_a_peer="bench_reactor_libev bench_teleport_nanopb"
for source in bench/bench_*.c bench/bench_*.cc; do
    [ -e "$source" ] || continue # a house without one in C++
    name=$(basename "$source")
    stem=${name%.*}
    case " $needs_a_peer " in *" $stem "*) continue ;; esac
    case $name in
        bench_dxdb.c)
            libpq=$(pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)
            if echo '#include <libpq-fe.h>' | "$CC" -I"$libpq" -x c -fsyntax-only - 2>/dev/null; then
                try "$name" "$CC" -std=gnu11 -O0 -Wall -Wextra -Wno-unused-function -Werror -I"$libpq" "$source" -o "$work/$stem" \
                    -lpq -lpthread
            else
                skip "$name" "no libpq"
            fi
            ;;
        bench_bulk.c) # `make` links it with what dxwan is made of, which needs the same objects as dxwan itself
            try "$name" make -s build/bench_bulk CC="$CC"
            ;;
        bench_memory.c) # likewise
            try "$name" make -s build/bench_memory CC="$CC"
            ;;
        bench_teleport_m4.c) try "$name" "$CC" -std=c11 -O0 -Wall -Wextra -Werror -DPARTS=3 -c "$source" -o "$work/$stem.o" ;;
        *.cc)
            if has g++; then
                try "$name" g++ -std=c++17 -O0 -Wall -Wextra -Werror "$source" -o "$work/$stem" -lpthread
            else
                skip "$name" "no g++"
            fi
            ;;
        *) try "$name" "$CC" -std=gnu11 -O0 -Wall -Wextra -Wno-unused-function -Werror "$source" -o "$work/$stem" -ldl -lpthread ;;
    esac
done
[ ! -f bench/charts.py ] || try "charts are those of the CSV files" python3 bench/charts.py --check
[ ! -f bench/results/levels.csv ] || try "levels in the head of dx_patch.h are those of bench/results" python3 bench/bench_levels.py bench/results/levels.csv dx_patch.h
finish
