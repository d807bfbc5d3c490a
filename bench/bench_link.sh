#!/bin/bash
# bench_link.sh [SECONDS [ROUNDS]]: calls over layers/dx_link.h beside requests through a NATS server, which carries each call and each answer
# over two connections; bench/results/link.csv. What is not installed is left out (Debian: nats-server).
set -u
cd "$(dirname "$0")/.." || exit 1
. bench/bench_deps.sh
seconds=${1:-2} rounds=${2:-5} csv=bench/results/link.csv
work=$(mktemp -d)
ended=()
finish() {
    [ ${#ended[@]} = 0 ] || kill "${ended[@]}" 2>/dev/null
    wait
    rm -rf "$work"
}
trap finish EXIT
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
await() { # PORT
    for _ in $(seq 100); do (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done
    echo "nobody listens on $1" >&2
    exit 1
}

port=$((10000 + RANDOM % 20000))
build/bench_link serve 127.0.0.1:$port & ended+=($!)
await $port
peers=link
command -v nats-server >/dev/null || install_package nats-server
if command -v nats-server >/dev/null; then
    nats=$((port + 1))
    nats-server -a 127.0.0.1 -p $nats >/dev/null 2>&1 & ended+=($!)
    await $nats
    build/bench_nats answer 127.0.0.1 $nats & ended+=($!)
    sleep 0.5
    peers="link nats"
else
    echo "not here: nats-server" >&2
fi

call() { # PEER CONNECTIONS DEPTH SIZE
    case $1 in
    link) build/bench_link call 127.0.0.1:$port "$2" "$3" "$seconds" size="$4" ;;
    nats) build/bench_nats call 127.0.0.1 $nats "$2" "$3" "$seconds" "$4" ;;
    esac
}
cells="1,1,8 4,32,8 8,128,8 4,32,1024"
for ((round = 0; round < rounds; round++)); do
    for cell in $cells; do
        for peer in $peers; do
            call $peer ${cell//,/ } >"$work/out" || { echo "failed: $peer $cell" >&2; exit 1; }
            awk '{ print $2 }' "$work/out" >>"$work/rate.$peer.$cell"
            awk '{ print $6 }' "$work/out" >>"$work/p99.$peer.$cell"
        done
    done
done
echo "peer,connections,depth,size,rounds,median_calls_s,median_p99_us" >$csv
for cell in $cells; do
    for peer in $peers; do
        echo "$peer,$cell,$rounds,$(median <"$work/rate.$peer.$cell"),$(median <"$work/p99.$peer.$cell")" >>$csv
    done
done
column -s , -t $csv 2>/dev/null || cat $csv
