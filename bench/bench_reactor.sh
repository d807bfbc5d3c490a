#!/bin/bash
# dx_reactor.h (as dxecho) beside raw epoll, io_uring, libuv, libevent, libev, redis, memcached and nginx.
# usage: bench_reactor.sh [ROUNDS [CSV [CELL...]]]      (make bench-reactor builds what it needs; 0 rounds: the tables of an old CSV)
# The server runs on one CPU, the load generator on another. All servers of a cell take turns in each
# round; what the tables compare are ratios inside one round, medians over the rounds. Peers that are not
# installed are left out. Writes CSV (default bench/results/reactor.csv), tables and a chart beside it.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
rounds=${1:-5} csv=${2:-bench/results/reactor.csv}
shift $(($# < 2 ? $# : 2))
only=" $* "
wanted() { [ "$rounds" != 0 ] && { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }; }
work=$(mktemp -d) port=$((21000 + RANDOM % 8000)) pid=
trap '[ -z "$pid" ] || kill $pid 2>/dev/null; rm -rf "$work"' EXIT
cpus=($(taskset -pc $$ | sed 's/.*: //' | tr ',' '\n' | awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }'))
on_server="taskset -c ${cpus[0]}" on_load="taskset -c ${cpus[1]:-${cpus[0]}}"
[ ${#cpus[@]} -gt 1 ] || echo "one CPU only: server and generator share it" >&2
nice -n -10 true 2>/dev/null && on_server="nice -n -10 $on_server" on_load="nice -n -10 $on_load"
ulimit -n "$(ulimit -Hn)"

command_of() { # SERVER: the command with its port
    case $1 in
        dx_epoll*) echo build/dxecho $port --backend epoll ${mode:-} ;;
        dx_uring*) echo build/dxecho $port --backend io_uring ${mode:-} ;;
        redis) echo redis-server --port $port --save "" --appendonly no --loglevel warning ;;
        memcached) echo memcached -p $port -U 0 -t 1 -R 1000 -c 4096 -u nobody ;;
        nginx) echo nginx -p "$work" -c "$work/nginx.conf" -e "$work/nginx.err" ;;
        *_spin) echo build/bench_reactor_peers ${1%_spin} $port spin ;;
        *) echo build/bench_reactor_peers $1 $port ;;
    esac
}
launch() { # SERVER: $pid, or nothing; it listens
    local i command
    port=$((port + 1))
    [ "$1" != nginx ] || printf 'daemon off; master_process off; pid %s/nginx.pid; error_log %s/nginx.err crit;
        events { worker_connections 4096; }
        http { access_log off; keepalive_requests 1000000000; server { listen %s backlog=4096; location / { return 200 "ok"; } } }\n' "$work" "$work" $port >"$work/nginx.conf"
    command=$(command_of "$1")
    $on_server $command >/dev/null 2>"$work/err" &
    pid=$!
    for i in $(seq 60); do
        (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && return 0
        kill -0 $pid 2>/dev/null || break
        sleep 0.02
    done
    pid=
    return 1
}
stop() {
    kill $pid 2>/dev/null
    wait $pid 2>/dev/null
    pid=
}
missing=
cell() { # WHAT KIND CONNECTIONS DEPTH SIZE SECONDS SERVER...
    local what=$1 kind=$2 connections=$3 depth=$4 size=$5 seconds=$6 server k line
    shift 6
    wanted "$what" || return
    for server in "$@"; do
        case " $missing " in *" $server "*) continue ;; esac
        launch $server || { missing="$missing $server"; echo "left out: $server ($(head -n 1 "$work/err"))" >&2; continue; }
        k=$kind
        [ $server = redis ] && k=redis
        [ $server = memcached ] && k=memcached
        [ $server = nginx ] && k=http
        line=$(timeout 60 $on_load build/bench_reactor_load 127.0.0.1:$port $k $connections $depth $seconds size=$size pid=$pid ${load_options:-} 2>"$work/err") ||
            { echo "$what $server: $(head -n 1 "$work/err")" >&2; line=; }
        stop
        [ -z "$line" ] || echo "$what,$server,$connections,$depth,$size,$round,${line// /,}" >>"$csv"
    done
}

[ "$rounds" = 0 ] || echo "what,server,connections,depth,size,round,per_second,p50_us,p99_us,p999_us,worst_us,server_ns,bytes_per_second" >"$csv"
ours="dx_epoll dx_uring" mode=--plain
everything() {
    mode=--plain
    cell echo bytes 1 1 8 0.2 raw_epoll raw_uring $ours libuv libuv_documented libevent libevent_buffer libev
    for c in "64 1" "64 16" "1000 1" "1000 16"; do
        cell echo bytes $c 8 0.3 raw_epoll raw_uring $ours libuv libuv_documented libevent libevent_buffer libev
    done
    mode=--plain\ --spin\ 1000000 load_options=spin=1
    cell spin bytes 1 1 8 0.2 raw_epoll_spin $ours
    load_options= mode=
    cell hbtp hbtp 4 32 72 0.3 raw_hbtp $ours
    cell hbtp hbtp 4 128 72 0.3 raw_hbtp $ours
    cell hbtp hbtp 8 128 72 0.3 raw_hbtp $ours
    cell servers hbtp 64 16 8 0.3 $ours redis memcached nginx
    mode=--http
    cell http http 64 16 8 0.3 raw_http $ours nginx
    cell http http 64 32 8 0.3 raw_http $ours nginx
    mode=--plain
    cell churn churn 1 0 8 0.3 raw_epoll raw_uring $ours libuv
    # One GB out and back: seconds, bytes a second, the server's CPU seconds.
    cell bulk bulk 1 0 0 0 raw_epoll raw_uring $ours libuv
    wanted timers || return
    build/bench_reactor | while read -r name ns; do echo "$name,dx,1,0,0,$round,$ns,,,,,," >>"$csv"; done
}

# >>system calls of one request, as the kernel counts them
if wanted syscalls && perf stat -e raw_syscalls:sys_enter true 2>/dev/null; then
    for c in "64 1" "64 16" "1000 1"; do
        for server in raw_epoll raw_uring $ours libuv; do
            launch $server || continue
            set -- $c
            perf stat -x, -e raw_syscalls:sys_enter -p $pid -o "$work/perf" sleep 0.5 &
            counter=$!
            line=$($on_load build/bench_reactor_load 127.0.0.1:$port bytes $1 $2 1.0 warm=0 2>"$work/err")
            wait $counter
            stop
            [ -n "$line" ] || { echo "syscalls $server: $(head -n 1 "$work/err")" >&2; continue; }
            calls=$(awk -F, '/sys_enter/ { print $1 }' "$work/perf")
            echo "$calls ${line%% *}" | awk -v s=$server -v c=$1 -v d=$2 '$2 > 0 { printf "syscalls,%s,%d,%d,8,1,%.4f,,,,,,\n", s, c, d, $1 / ($2 * 0.5) }' >>"$csv"
        done
    done
fi

# >>resident bytes of an idle connection: as many as the descriptors of one process allow, at most 100,000.
# Memory that is there before the first connection counts where it grows with how many there may be.
rss() { awk '/^VmRSS/ { print $2 * 1024 }' /proc/$pid/status; }
count=$(($(ulimit -n) - 500)) few=
[ $count -lt 100000 ] || count=100000
for server in raw_epoll raw_uring $ours libuv libevent_buffer libev; do
    wanted idle || break
    [[ $server != dx_* ]] || few=--connections\ 1
    mode="--plain --bind 0.0.0.0 $few"
    launch $server || continue
    $on_load build/bench_reactor_load 127.0.0.1:$port bytes 1 16 0.5 >/dev/null
    before=$(rss)
    [ -z "$few" ] || { stop; mode="--plain --bind 0.0.0.0 --connections $count"; launch $server; }
    few=
    mkfifo "$work/hold"
    $on_load build/bench_reactor_load 127.0.0.1:$port idle $count 0 0 addresses=6 <"$work/hold" >"$work/ready" 2>"$work/err" &
    load=$!
    exec 4>"$work/hold"
    for i in $(seq 600); do grep -q ready "$work/ready" && break; kill -0 $load 2>/dev/null || break; sleep 0.05; done
    grep -q ready "$work/ready" && echo "idle,$server,$count,0,8,1,$((($(rss) - before) / count)),,,,,," >>"$csv" || echo "idle $server: $(head -n 1 "$work/err")" >&2
    exec 4>&-
    wait $load 2>/dev/null
    rm -f "$work/hold"
    stop
done
mode=--plain
# >>rounds: as many as were asked for, fewer where a slow machine would need more than seven minutes
for round in $(seq "$rounds"); do
    [ $((SECONDS + ${longest:-0})) -lt 430 ] || { echo "stopped after $((round - 1)) rounds" >&2; break; }
    began=$SECONDS
    everything
    longest=$((SECONDS - began))
done

# >>tables: medians, then what was aimed at
awk -F, -v machine="$(uname -sr), ${#cpus[@]} CPUs, load $(cut -d ' ' -f 1 /proc/loadavg)" '
    function median(list,    n, i, k, t, a) {
        n = split(list, a, " ")
        for (i = 2; i <= n; i++) for (k = i; k > 1 && a[k - 1] + 0 > a[k] + 0; k--) { t = a[k]; a[k] = a[k - 1]; a[k - 1] = t }
        return n ? (n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2) : 0
    }
    # The median of one column, or of its ratio to another server in the same round.
    function of(cell, server, column, base,    i, list) {
        for (i = 1; i <= rounds; i++)
            if ((cell, server, i, column) in value && (base == "" || value[cell, base, i, column]))
                list = list " " value[cell, server, i, column] / (base == "" ? 1 : value[cell, base, i, column])
        return median(list)
    }
    function goal(text, got, bar, most) { # most: not more than the bar
        if (got) printf "| %s | %s%s | %s%s | %s |\n", text, got < 1000 ? sprintf("%.2f", got) : sprintf("%.0f", got), "", most ? "<= " : ">= ", bar, (most ? got <= bar : got >= bar) ? "kept" : "**missed**"
    }
    FNR > 1 && $7 !~ /nan/ {
        cell = $1 " " $3 "x" $4 ($5 > 8 ? " " $5 " B" : "")
        if (!(cell in cells)) { cells[cell] = 1; names[++count] = cell; base[cell] = $2 }
        if (!((cell, $2) in seen)) { seen[cell, $2] = 1; servers[cell] = servers[cell] " " $2 }
        if ($6 > rounds) rounds = $6
        for (i = 7; i <= 12; i++) if ($i != "") value[cell, $2, $6, i] = $i
        if ($1 == "idle") idle = cell
    }
    END {
        print "Made by bench/bench_reactor.sh from the CSV beside it. " machine "; " rounds " rounds; medians; ratios inside one round.\n"
        print "| cell | server | per second | of the first | p50 us | p99 us | of the first | server ns | of the first |"
        print "|---|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= count; i++) {
            m = split(servers[names[i]], s, " ")
            for (k = 1; k <= m; k++) {
                c = names[i]; b = base[c]
                printf "| %s | %s | %.*f | %.2f | %.1f | %.1f | %.2f | %.0f | %.2f |\n", c, s[k], of(c, s[k], 7) < 1000 ? 3 : 0, of(c, s[k], 7),
                    of(c, s[k], 7, b), of(c, s[k], 8), of(c, s[k], 9), of(c, s[k], 9, b), of(c, s[k], 12), of(c, s[k], 12, b)
            }
        }
        print "\n| aim | measured | bar | |\n|---|---|---|---|"
        split("1x1 64x1 64x16 1000x1 1000x16", grid, " ")
        for (i = 1; i <= 5; i++) goal("echo " grid[i] ", epoll, of raw epoll", of("echo " grid[i], "dx_epoll", 7, "raw_epoll"), 0.98)
        for (i = 1; i <= 5; i++) goal("echo " grid[i] ", io_uring, of raw io_uring", of("echo " grid[i], "dx_uring", 7, "raw_uring"), 0.98)
        for (i = 2; i <= 5; i++) goal("echo " grid[i] ", epoll, CPU time of raw epoll", of("echo " grid[i], "dx_epoll", 12, "raw_epoll"), 1.02, 1)
        for (i = 2; i <= 5; i++) goal("echo " grid[i] ", io_uring, CPU time of raw io_uring", of("echo " grid[i], "dx_uring", 12, "raw_uring"), 1.02, 1)
        goal("echo 64x16, io_uring, of libuv as documented", of("echo 64x16", "dx_uring", 7, "libuv_documented"), 1.8)
        goal("echo 64x16, io_uring, of libevent bufferevent", of("echo 64x16", "dx_uring", 7, "libevent_buffer"), 1.35)
        goal("p99 64x16, io_uring, of raw epoll", of("echo 64x16", "dx_uring", 9, "raw_epoll"), 0.85, 1)
        goal("p99 1000x16, io_uring, of raw epoll", of("echo 1000x16", "dx_uring", 9, "raw_epoll"), 0.85, 1)
        goal("system calls a request, 64x1, io_uring", of("syscalls 64x1", "dx_uring", 7), 0.05, 1)
        goal("round trip 1x1 with spinning, epoll, of a raw loop", of("spin 1x1", "dx_epoll", 8, "raw_epoll_spin"), 1.05, 1)
        goal("HBTP 4x32, 72 B, io_uring, a second", of("hbtp 4x32 72 B", "dx_uring", 7), 5000000)
        goal("HBTP 4x32, p99 us", of("hbtp 4x32 72 B", "dx_uring", 9), 50, 1)
        goal("HBTP 8x128, io_uring, a second", of("hbtp 8x128 72 B", "dx_uring", 7), 17000000)
        goal("HBTP 8x128, p99 us", of("hbtp 8x128 72 B", "dx_uring", 9), 100, 1)
        goal("HBTP 8x128, io_uring, of a raw framed server", of("hbtp 8x128 72 B", "dx_uring", 7, "raw_hbtp"), 0.97)
        goal("HBTP 8x128, epoll, of a raw framed server", of("hbtp 8x128 72 B", "dx_epoll", 7, "raw_hbtp"), 0.97)
        goal("HBTP 64x16, io_uring, of redis PING", of("servers 64x16", "dx_uring", 7, "redis"), 1.35)
        goal("of memcached", of("servers 64x16", "dx_uring", 7, "memcached"), 13)
        goal("of nginx", of("servers 64x16", "dx_uring", 7, "nginx"), 12)
        goal("HTTP 64x16, io_uring, a second", of("http 64x16", "dx_uring", 7), 2500000)
        goal("HTTP 64x32, io_uring, a second", of("http 64x32", "dx_uring", 7), 4500000)
        goal("bytes of an idle connection, epoll, " idle, of(idle, "dx_epoll", 7), 128, 1)
        goal("bytes of an idle connection, io_uring, " idle, of(idle, "dx_uring", 7), 128, 1)
        goal("timer re-arm, ns, 1,000,000 timers", of("timer_rearm 1x0", "dx", 7), 10, 1)
        goal("timer insert, ns", of("timer_insert 1x0", "dx", 7), 6, 1)
        goal("timer cancel, ns", of("timer_cancel 1x0", "dx", 7), 4, 1)
        goal("timer fire, ns", of("timer_fire 1x0", "dx", 7), 90, 1)
        goal("post to a running loop, with payload, ns", of("post_running 1x0", "dx", 7), 20, 1)
        goal("connect, request, close: io_uring, of libuv", of("churn 1x0", "dx_uring", 7, "libuv"), 1)
        goal("1 GiB out and back, seconds: io_uring, of raw epoll", of("bulk 1x0", "dx_uring", 7, "raw_epoll"), 1, 1)
    }' "$csv" | tee "${csv%.csv}.md"
