#!/bin/bash
# bench_bulk.sh [BYTES [ROUNDS]]: bulk transfer over loopback TCP beside a plain copy loop; bench/results/bulk.csv
# bench_bulk.sh uml: the same over an emulated path of 100 ms and 200 Mbit/s in user-mode Linux (as root; packages user-mode-linux, kmod);
#   bench/results/bulk_wan.csv. BINARY must lie outside /tmp and under a path that is the same in the guest.
set -u
cd "$(dirname "$0")/.." || exit 1
program=build/bench_bulk
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

loopback() { # BYTES ROUNDS: every round runs all, one after the other
    local bytes=$1 rounds=$2 csv=bench/results/bulk.csv work
    work=$(mktemp -d)
    for ((round = 0; round < rounds; round++)); do
        for how in "plain 1" "bulk 1" "bulk 4" "bulk 16"; do
            port=$((10000 + RANDOM % 20000))
            timeout 120 $program 127.0.0.1 $port $how "$bytes" cubic >"$work/out" || { cat "$work/out"; echo "failed: $how" >&2; exit 1; }
            cut -d ' ' -f 1 "$work/out" >>"$work/${how/ /_}"
        done
    done
    echo "how,connections,bytes,rounds,median_s,of_plain" >$csv
    plain=$(median <"$work/plain_1")
    for how in plain_1 bulk_1 bulk_4 bulk_16; do
        s=$(median <"$work/$how")
        echo "${how/_/,},$bytes,$rounds,$s,$(awk -v a="$plain" -v b="$s" 'BEGIN { printf "%.2f", a / b }')" >>$csv
    done
    rm -rf "$work"
    column -s , -t $csv 2>/dev/null || cat $csv
}

# In the guest: two namespaces, a pair of interfaces, delay on both ways, loss and rate on the way of the data.
guest() {
    for m in veth sch_netem tcp_bbr; do modprobe -d /run/m $m 2>/dev/null; done
    ip netns add a && ip netns add b && ip link add va netns a type veth peer name vb netns b || exit 1
    ip -n a addr add 10.0.0.1/24 dev va
    ip -n b addr add 10.0.0.2/24 dev vb
    ip -n a link set va gso_max_segs 1 up # loss is of packets, not of bundles
    ip -n b link set vb gso_max_segs 1 up
    for n in a b; do
        ip netns exec $n sysctl -q net.ipv4.tcp_no_metrics_save=1 net.ipv4.tcp_wmem="4096 16384 33554432" net.ipv4.tcp_rmem="4096 131072 33554432"
    done
    port=5000
    for loss in 0 0.1 1; do
        ip netns exec a tc qdisc replace dev va root netem delay 50ms rate 200mbit limit 4000 $([ $loss = 0 ] || echo loss $loss%)
        ip netns exec b tc qdisc replace dev vb root netem delay 50ms limit 4000
        for cc in cubic bbr; do
            bytes=100000000
            case $loss$cc in 0.1cubic) bytes=60000000 ;; 1cubic) bytes=8000000 ;; esac
            for how in "plain 1" "bulk 1" "bulk 16"; do
                port=$((port + 1))
                result=$(timeout 100 ip netns exec a "$program" 10.0.0.2 $port $how $bytes $cc "ip netns exec b" 2>/dev/null)
                echo "ROW $loss,$cc,${how/ /,},$bytes,$(echo "${result:-- - - - -}" | cut -d ' ' -f 1,2,4 | tr ' ' ,)"
            done
        done
    done
}

case ${1:-} in
guest) program=$2; guest ;;
uml)
    program=${BINARY:-/var/tmp/bench_bulk}
    [ "$program" -ef build/bench_bulk ] || cp build/bench_bulk "$program" || exit 1
    job=$(mktemp) init=$(mktemp)
    chmod +x "$init"
    { echo 'set -- guest '"$program"; sed 's|^cd .*||' "$0"; } >"$job"
    cat >"$init" <<'I'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /run; mount -t devtmpfs d /dev 2>/dev/null
job=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^job=//p'); cp "$job" /run/job
mount -t tmpfs t /tmp
mkdir -p /run/m/lib && ln -s /usr/lib/uml/modules /run/m/lib/modules
ip link set lo up
bash /run/job
poweroff -f
I
    echo "loss_percent,congestion,how,connections,bytes,seconds,mbytes_s,resent" >bench/results/bulk_wan.csv
    timeout 1800 unshare --pid --fork --kill-child=KILL linux.uml mem=1500M rootfstype=hostfs rootflags=/ ro init="$init" quiet con=null \
        con0=null,fd:1 con1=fd:0,fd:1 job="$job" </dev/null 2>/dev/null | tr -d '\r' | sed -n 's/^ROW //p' | tee -a bench/results/bulk_wan.csv
    rm -f "$job" "$init"
    ;;
*) loopback "${1:-1000000000}" "${2:-5}" ;;
esac
