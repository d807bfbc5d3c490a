#!/usr/bin/env python3
"""dxwan beside other ways of sending a file over an emulated path, into bench/results/wan.csv.
usage: bench_wan.py KERNEL [--mode matrix|fair|settle|check] [--rates 100] [--rtts 10,50,150,300] [--losses 0,0.1,1,2] [--tools all] [--seconds 15] [--csv FILE] [--work DIR]

KERNEL is a user-mode Linux with CONFIG_UML_TIME_TRAVEL_SUPPORT, netem, veth and BBR. It runs with time-travel=inf-cpu: its clock stands
still while anything computes, and jumps to the next event when nothing does. So the load of this machine changes no figure, a
processor is never the limit, and a run is as long as its packets take to handle. It runs on one processor: the kernel and its processes
wake each other all the time, and doing that across processors takes five times as long. bench/log.md says how to build one. Run as root.

    sender a ---- router r ---- receiver b       three network namespaces in one kernel
                   |   `-- to b: rate, loss, a queue of one bandwidth-delay product (at least 50 packets)
                   `------ to a: the whole round trip as delay

Each tool moves the same random bytes: what the link carries in link_seconds (0: 6 s, or 50 round trips if that is longer). It is stopped
after twice that time, and then has moved what the receiver has stored. 0 connections are as many as `dxwan send` chooses, at its end
streams_end. A plain stream (iperf3) sends for link_seconds; its figure is what the receiver's program got.

`steady` and `tail_s` come from counters of the receiver's kernel, which nothing delays: bytes that came from the link, less 1448 for each
segment that it had already (those are what it tells with D-SACK). `steady` is their share of the link between 30 and 95 % of what arrived,
without the start and the end; packets of 1514 bytes carry 1448, so no share is above 0.956. Tools over UDP have none. Not among the
tools: UDT, because its library reads the counter of the processor, which goes on while the clock of the kernel stands still."""
import argparse, collections, csv, hashlib, json, math, os, re, select, shutil, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = ["tool", "congestion", "connections", "mbit_s", "rtt_ms", "loss_percent"]
# Of each mode: its CSV file, the columns that name a row, and the others.
MODES = {
    "matrix": ("wan.csv", PATH, ["mbytes_s", "share", "complete", "seconds", "tail_s", "resent_segments", "steady", "streams_end", "link_seconds"]),
    "fair": ("wan_fair.csv", PATH + ["options"], ["seconds", "flow_share", "flow_of_user", "flow_of_connection", "tool_share", "connections_end"]),
    "settle": ("wan_settle.csv", PATH + ["phase", "link_mbit_s", "link_loss_percent"], ["settle_s", "share", "windows"]),
    "check": ("wan_check.csv", PATH + ["reorder_percent", "duplicate_percent"], ["seconds", "share", "same", "resent_segments", "out_of_order", "received_again"]),
}
TOOLS = [("stream", "cubic", 1), ("stream", "bbr", 1), ("dxwan", "cubic", 0), ("dxwan", "cubic", 16), ("dxwan", "cubic", 64), ("dxwan", "cubic", 256),
         ("dxwan", "bbr", 0), ("dxwan", "bbr", 1), ("dxwan", "bbr", 16), ("rsync", "cubic", 1), ("rsync", "bbr", 1), ("aria2", "cubic", 16), ("aria2", "bbr", 16),
         ("gridftp", "cubic", 16), ("gridftp", "bbr", 16), ("kcptun", "kcp", 1), ("uftp", "none", 1)]
RECEIVER = "10.0.2.1"
MTU = 1514
MSS = 1448
STORE = "/run/store"


def name_of(tool):
    return "%s-%s-%d" % tool


# >>guest
def sh(command, check=True):
    return subprocess.run(command, shell=True, check=check, capture_output=True, text=True)


def shape(mbit_s, loss, queue, how):
    sh(f"ip netns exec r tc qdisc {how} dev rb root netem rate {mbit_s:g}mbit limit {queue}" + (f" loss {loss}%" if loss else ""))


def lay(mbit_s, rtt_ms, loss):
    """The path. Loss is of packets, so none may be a bundle of several."""
    bdp = mbit_s * 1e6 / 8 * rtt_ms / 1e3
    queue = max(50, int(bdp / MTU))
    for n in "arb":
        sh(f"ip netns add {n}; ip -n {n} link set lo up")
    for x, net in (("a", 1), ("b", 2)):
        sh(f"ip link add v{x} netns {x} type veth peer name r{x} netns r; ip -n {x} addr add 10.0.{net}.1/24 dev v{x}; ip -n r addr add 10.0.{net}.2/24 dev r{x}")
        sh(f"ip -n {x} link set v{x} gso_max_segs 1 up; ip -n r link set r{x} gso_max_segs 1 up; ip -n {x} route add default via 10.0.{net}.2")
        memory = max(16 << 20, int(4 * bdp))
        sh(f"ip netns exec {x} sysctl -w net.ipv4.tcp_no_metrics_save=1 net.ipv4.tcp_wmem='4096 16384 {memory}' net.ipv4.tcp_rmem='4096 131072 {memory}'")
    sh(f"sysctl -w net.core.rmem_max={memory} net.core.wmem_max={memory} net.ipv4.tcp_mem='300000 300000 300000'", check=False)
    sh("ip netns exec r sysctl -w net.ipv4.ip_forward=1")
    shape(mbit_s, loss, queue, "add")
    sh(f"ip netns exec r tc qdisc add dev ra root netem delay {rtt_ms}ms limit {20 * queue + 10000}")
    return queue


def stored():
    """Bytes on the receiver's side, by what is allocated: some tools make a file of its full size first."""
    return sum(os.lstat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(STORE) for f in files)


def start(where, command, **options):
    return subprocess.Popen(["ip", "netns", "exec", where] + command, stdout=options.pop("stdout", subprocess.DEVNULL), stderr=subprocess.DEVNULL, **options)


def end(processes):
    for p in processes:
        p.kill()
        p.wait()


NAMESPACE = {}  # a process in it


class Counters:
    """What arrives at the receiver, and what the sender repeats. A process in each namespace opens the counters of its kernel to us."""
    def __init__(self):
        self.holders = {n: start(n, ["sleep", "infinity"]) for n in "ab"}
        time.sleep(0.2)
        NAMESPACE.update((n, p.pid) for n, p in self.holders.items())
        self.device, self.extended, self.sender = (open("/proc/%d/net/%s" % (self.holders[n].pid, name), "rb", 0)
                                                   for n, name in (("b", "dev"), ("b", "netstat"), ("a", "snmp")))

    @staticmethod
    def table(file, prefix):
        file.seek(0)
        names, values = (line.split() for line in file.read(65536).decode().split("\n") if line.startswith(prefix + ":"))
        return dict(zip(names[1:], map(int, values[1:])))

    def arrived(self):
        """Bytes of content, each once. Handshakes and headers of tools are a few of them."""
        self.device.seek(0)
        device = [line for line in self.device.read(65536).decode().split("\n") if line.strip().startswith("vb:")][0]
        again = self.table(self.extended, "TcpExt")
        return int(device.split(":")[1].split()[0]) * MSS / MTU - MSS * (again["TCPDSACKOldSent"] + again["TCPDSACKOfoSent"])

    def repeated(self):
        return self.table(self.sender, "Tcp")["RetransSegs"]


# Of one tool in one cell; "": not known. samples: of seconds, bytes that arrived.
Result = collections.namedtuple("Result", "bytes seconds whole samples resent streams", defaults=[[], "", ""])


def watch(o, process, seconds_max):
    """Until it ends or the time is over: how long it took, or None, and what arrived by when."""
    begun, before, samples = time.monotonic(), o.counters.arrived(), []
    end_of = select.poll()
    end_of.register(os.pidfd_open(process.pid), select.POLLIN)
    while True:
        ended = end_of.poll(100)
        at = time.monotonic() - begun
        samples.append((at, o.counters.arrived() - before))
        if ended:
            process.wait()
            return at, samples
        if at >= seconds_max:
            return None, samples


def reached(samples, part):
    """The first sample that has this part of what arrived in all."""
    return next(s for s in samples if s[1] >= part * samples[-1][1])


def steady(samples):
    """Bytes a second, without the start and the end."""
    (begin, low), (end, high) = reached(samples, 0.30), reached(samples, 0.95)
    return (high - low) / (end - begin) if end > begin else None


def tail(samples, took):
    """Seconds that the last 5 % took longer than at the speed of the 25 % before them. No code with parity can save more than that."""
    (begin, low), (end, high) = reached(samples, 0.70), reached(samples, 0.95)
    return took - end - (samples[-1][1] - high) * (end - begin) / (high - low) if high > low else None


def moved(o, process, seconds_max, size, tcp=True):
    """Of a tool that copies a file."""
    before = o.counters.repeated()
    took, samples = watch(o, process, seconds_max)
    whole = took is not None and process.returncode == 0 and any(
        os.path.getsize(os.path.join(STORE, f)) == size for f in os.listdir(STORE))
    return Result(size if whole else min(size, stored()), took or seconds_max, whole, samples if tcp else [],
                  o.counters.repeated() - before if tcp else "")


def run_stream(o, congestion, connections, seconds):
    server = start("b", ["iperf3", "-s", "-1"])
    time.sleep(0.5)
    client = start("a", ["iperf3", "-c", RECEIVER, "-J", "-t", str(seconds), "-C", congestion, "-P", str(connections)], stdout=open("/run/out", "w"))
    _, samples = watch(o, client, 4 * seconds)
    end([client, server])
    result = json.load(open("/run/out"))["end"]
    return Result(result["sum_received"]["bytes"], result["sum_sent"]["seconds"], True, samples, result["sum_sent"]["retransmits"])


def dxwan_send(o, congestion, connections):
    server = start("b", [o.dxwan, "recv", RECEIVER + ":7100", "--out", STORE, "--congestion", congestion, "--quiet"])
    time.sleep(0.5)
    streams = ["--streams", str(connections)] if connections else []
    client = start("a", [o.dxwan, "send", o.file, RECEIVER + ":7100", "--congestion", congestion, "--json"] + streams + o.options, stdout=open("/run/out", "w"))
    return client, server


def run_dxwan(o, congestion, connections, seconds):
    client, server = dxwan_send(o, congestion, connections)
    result = moved(o, client, 2 * seconds, o.size)
    end([client, server])
    text = open("/run/out").read()
    told = json.loads(text) if text.strip().startswith("{") else {}
    return result._replace(streams=told.get("streams", ""))


def run_rsync(o, congestion, connections, seconds):
    with open("/run/rsyncd.conf", "w") as f:
        f.write(f"use chroot = no\nuid = 0\ngid = 0\nreverse lookup = no\n[store]\npath = {STORE}\nread only = no\n")
    server = start("b", ["rsync", "--daemon", "--no-detach", "--config=/run/rsyncd.conf"])
    time.sleep(0.5)
    client = start("a", ["rsync", "-W", o.file, f"rsync://{RECEIVER}/store/"])
    result = moved(o, client, 2 * seconds, o.size)
    end([client, server])
    return result


def run_aria2(o, congestion, connections, seconds):
    server = start("a", [sys.executable, os.path.join(TOP, "bench/bench_wan.py"), "serve", o.file])
    time.sleep(0.5)
    client = start("b", ["aria2c", "-q", "-x", str(connections), "-s", str(connections), "-k", "1M", "--file-allocation=none", "-d", STORE, "-o", "copy",
                         "http://10.0.1.1:8000/file"])
    result = moved(o, client, 2 * seconds, o.size)
    end([client, server])
    return result


def run_gridftp(o, congestion, connections, seconds):
    """Without certificates: the data go the same way as with them."""
    server = start("b", ["globus-gridftp-server", "-aa", "-allow-root", "-anonymous-user", "root", "-p", "2811", "-no-detach",
                         "-control-interface", RECEIVER, "-data-interface", RECEIVER])
    time.sleep(1)
    client = start("a", ["globus-url-copy", "-nodcau", "-fast", "-p", str(connections), "file://" + o.file, f"ftp://{RECEIVER}:2811{STORE}/copy"])
    result = moved(o, client, 2 * seconds, o.size)
    end([client, server])
    return result


def run_kcptun(o, congestion, connections, seconds):
    """A tunnel by KCP with Reed-Solomon parity, in its fastest mode; iperf3 through it. Windows of
    0.7 to 2 bandwidth-delay products gave 0.46 to 0.54 of 20 Mbit/s at 50 ms."""
    window = str(max(32, int(1.5 * o.mbit_s * 1e6 / 8 * o.rtt_ms / 1e3 / 1350)))
    sink = start("b", ["iperf3", "-s", "-1"])
    common = ["--mode", "fast3", "--nocomp", "--crypt", "none", "--sndwnd", window, "--rcvwnd", window, "--sockbuf", "16777216", "--smuxbuf", "67108864"]
    server = start("b", ["kcptun-server", "-l", ":4000", "-t", "127.0.0.1:5201"] + common)
    client = start("a", ["kcptun-client", "-l", ":5201", "-r", RECEIVER + ":4000"] + common)
    time.sleep(1)
    sender = start("a", ["iperf3", "-c", "127.0.0.1", "-J", "-t", str(seconds)], stdout=subprocess.PIPE)
    try:
        text, _ = sender.communicate(timeout=4 * seconds)
        result = json.loads(text)["end"]
        return Result(result["sum_received"]["bytes"], result["sum_received"]["seconds"], True)
    finally:
        end([sender, client, server, sink])


def run_uftp(o, congestion, connections, seconds):
    """It has no congestion control here: it is told the rate of the link, less its headers."""
    server = start("b", ["uftpd", "-d", "-D", STORE, "-B", "4194304", "-M", "230.4.4.1", "-I", "vb"])
    time.sleep(0.5)
    client = start("a", ["uftp", "-R", str(int(o.mbit_s * 1000 * 0.97)), "-M", RECEIVER, "-P", RECEIVER, "-B", "4194304", "-r", "%g" % max(0.05, o.rtt_ms / 1e3),
                         "-I", "va", o.file])
    result = moved(o, client, 2 * seconds, o.size, tcp=False)
    end([client, server])
    return result


def serve(path):
    """HTTP of one file, with ranges, a piece at a time; Python's own server has no ranges."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET(False)

        def do_GET(self, body=True):
            size = os.path.getsize(path)
            wanted = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
            first, last = (int(wanted[1]), int(wanted[2] or size - 1)) if wanted else (0, size - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", last + 1 - first)
            if wanted:
                self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, size))
            self.end_headers()
            with open(path, "rb") as f:
                f.seek(first)
                while body and first <= last:
                    piece = f.read(min(1 << 20, last + 1 - first))
                    self.wfile.write(piece)
                    first += len(piece)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()


def matrix(o):
    for tool in o.tools:
        clean(tool[1])
        try:
            result = globals()["run_" + tool[0]](o, *tool[1:], o.seconds)
        except Exception as e:
            print("FAILED", name_of(tool), o.mbit_s, o.rtt_ms, o.loss, repr(e), flush=True)
            continue
        speed = result.bytes / result.seconds
        share = lambda bytes_per_second: "" if bytes_per_second is None else "%.3f" % (bytes_per_second * 8e-6 / o.mbit_s)
        longer = tail(result.samples, result.seconds) if result.whole and result.samples and tool[0] != "stream" else None
        row = [*tool, o.mbit_s, "%g" % o.rtt_ms, "%g" % o.loss, "%.3f" % (speed / 1e6), share(speed), int(result.whole), "%.2f" % result.seconds,
               "" if longer is None else "%.2f" % longer, result.resent, share(steady(result.samples)) if result.samples else "", result.streams, o.seconds]
        print("ROW", ",".join(map(str, row)), flush=True)


def clean(congestion):
    """Nothing stored, and the system's congestion control is this one."""
    shutil.rmtree(STORE, ignore_errors=True)
    os.mkdir(STORE)
    for n in "ab":
        sh(f"ip netns exec {n} sysctl -w net.ipv4.tcp_congestion_control={congestion if congestion in ('cubic', 'bbr') else 'cubic'}")


def guest(o):
    """The init process of the guest has made its file systems: measure the tools of one cell."""
    queue = lay(o.mbit_s, o.rtt_ms, o.loss)
    ping = sh(f"ip netns exec a ping -n -q -c 5 -i 0.2 {RECEIVER}", check=False).stdout
    print("PING", o.mbit_s, o.rtt_ms, o.loss, "queue", queue, " ".join(ping.split("\n")[-4:]).strip(), flush=True)
    o.counters, o.queue = Counters(), queue
    globals()[o.mode](o)


# >>modes
def established(port):
    """Connections from the sender to this port."""
    with open("/proc/%d/net/tcp" % NAMESPACE["a"]) as f:
        return sum(line.split()[2].endswith(":%04X" % port) and line.split()[3] == "01" for line in f)


def fair(o):
    """A cubic flow that was there before, and goes on while the tool sends for the whole time: what does it get? Its fair share is half of
    the link for each user, or one part of the link for each connection."""
    capacity = MSS / MTU
    for tool in o.tools:
        clean(tool[1])
        other = start("b", ["iperf3", "-s", "-1", "-J", "-p", "5301"], stdout=open("/run/other", "w"))
        time.sleep(0.5)
        flow = start("a", ["iperf3", "-c", RECEIVER, "-p", "5301", "-C", "cubic", "-O", "5", "-t", str(o.seconds)])
        time.sleep(5)
        if tool[0] == "stream":
            server = start("b", ["iperf3", "-s", "-1"])
            client = start("a", ["iperf3", "-c", RECEIVER, "-t", str(2 * o.seconds), "-C", tool[1], "-P", str(tool[2])])
        else:
            client, server = dxwan_send(o, *tool[1:])
        _, samples = watch(o, client, o.seconds)
        connections = tool[2] if tool[0] == "stream" else established(7100)
        other.wait()
        end([client, server, flow])
        share = lambda amount: amount * 8e-6 / o.mbit_s / o.seconds
        got = json.load(open("/run/other"))["end"]["sum_received"]["bytes"]
        row = [*tool, o.mbit_s, "%g" % o.rtt_ms, "%g" % o.loss, " ".join(o.options), o.seconds, "%.3f" % share(got), "%.2f" % (share(got) / capacity * 2),
               "%.2f" % (share(got) / capacity * (connections + 1)), "%.3f" % share(samples[-1][1] - got), connections]
        print("ROW", ",".join(map(str, row)), flush=True)


def phases(o):
    """(Mbit/s, loss in per cent), each for link_seconds."""
    return [(o.mbit_s, 0), (o.mbit_s / 5, 0), (o.mbit_s, 0), (o.mbit_s, 1), (o.mbit_s, 0)]


def windows(samples, seconds, width=0.5):
    """Bytes a second in each window."""
    at = lambda t: next((s[1] for s in samples if s[0] >= t - 1e-3), samples[-1][1])
    marks = [0] + [at((i + 1) * width) for i in range(int(seconds / width))]
    return [(high - low) / width for low, high in zip(marks, marks[1:])]


def settle(o):
    """The link changes while a tool sends: after how many seconds do all windows of 0.5 s have 90 % of what the link can carry now?"""
    for tool in o.tools:
        clean(tool[1])
        if tool[0] == "stream":
            server = start("b", ["iperf3", "-s", "-1"])
            time.sleep(0.5)
            client = start("a", ["iperf3", "-c", RECEIVER, "-t", str(10 * o.seconds), "-C", tool[1], "-P", str(tool[2])])
        else:
            client, server = dxwan_send(o, *tool[1:])
        for number, (mbit_s, loss) in enumerate(phases(o)):
            shape(mbit_s, loss, o.queue, "change")
            took, samples = watch(o, client, o.seconds)
            shares = [w * 8e-6 / mbit_s for w in windows(samples, o.seconds)]
            bad = [i for i, share in enumerate(shares) if share < 0.9 * MSS / MTU]
            after = (bad[-1] + 1) * 0.5 if bad else 0
            row = [*tool, o.mbit_s, "%g" % o.rtt_ms, "%g" % o.loss, number, "%g" % mbit_s, "%g" % loss, "%g" % after if after < o.seconds else "",
                   "%.3f" % (sum(shares) / len(shares)), " ".join("%.2f" % share for share in shares)]
            print("FAILED" if took else "ROW", ",".join(map(str, row)), flush=True)
        end([client, server])


def check(o):
    """Packets of data that overtake others or come twice, before the link: is the file the same?"""
    reorder, duplicate = 5, 1
    sh(f"ip netns exec a tc qdisc add dev va root netem delay 2ms reorder {reorder}% 50% duplicate {duplicate}% limit 100000")
    digest = lambda path: hashlib.file_digest(open(path, "rb"), "sha256").hexdigest()
    for tool in o.tools:
        clean(tool[1])
        before = o.counters.table(o.counters.extended, "TcpExt")
        result = globals()["run_" + tool[0]](o, *tool[1:], o.seconds)
        after = o.counters.table(o.counters.extended, "TcpExt")
        found = [os.path.join(STORE, f) for f in os.listdir(STORE)]
        same = result.whole and len(found) == 1 and digest(found[0]) == digest(o.file)
        many = lambda *names: sum(after[n] - before[n] for n in names)
        row = [*tool, o.mbit_s, "%g" % o.rtt_ms, "%g" % o.loss, reorder, duplicate, "%.2f" % result.seconds, "%.3f" % (result.bytes / result.seconds * 8e-6 / o.mbit_s),
               int(same), result.resent, many("TCPOFOQueue"), many("TCPDSACKOldSent", "TCPDSACKOfoSent")]
        print("ROW" if same else "FAILED", ",".join(map(str, row)), flush=True)


# >>host
INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C
mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /run; mount -t tmpfs t /tmp
mkdir /run/log; mount -t hostfs none /run/log -o FOLDER
ip link set lo up; hostname localhost
printf '127.0.0.1 localhost\\n10.0.1.1 a\\n10.0.2.1 b\\n' >/run/hosts; printf 'passwd: files\\ngroup: files\\nhosts: files\\n' >/run/names
mount --bind /run/hosts /etc/hosts; mount --bind /run/names /etc/nsswitch.conf
JOB >/run/log/LOG 2>&1
/sbin/poweroff -f
"""


def boot(o, work, cell, tools):
    """One cell in a kernel of its own: the lines that it prints. `work` is a folder outside /tmp, that the guest sees, too."""
    mbit_s, rtt_ms, loss = cell
    seconds = o.seconds or max(6, math.ceil(50 * rtt_ms / 1e3))
    size = int(mbit_s * 1e6 / 8 * seconds * (4.5 if o.mode == "settle" else 1))
    path = os.path.join(work, "file-%d" % size)
    if not os.path.exists(path):
        with open(path + ".part", "wb") as f:
            for done in range(0, size, 1 << 20):
                f.write(os.urandom(min(1 << 20, size - done)))
        os.rename(path + ".part", path)
    inner = [sys.executable, os.path.join(TOP, "bench/bench_wan.py"), "guest", json.dumps(dict(
        mbit_s=mbit_s, rtt_ms=rtt_ms, loss=loss, tools=tools, seconds=seconds, size=size, file=path, dxwan=os.path.join(work, "dxwan"),
        mode=o.mode, options=o.options.split()))]
    name = "%d-%g-%g" % cell
    init, log = os.path.join(work, "init-" + name), "log-" + name
    with open(init, "w") as f:
        f.write(INIT.replace("JOB", " ".join("'%s'" % w for w in inner)).replace("FOLDER", work).replace("LOG", log))
    os.chmod(init, 0o755)
    megabytes = 700 + size * 2 // 1000000
    command = ["unshare", "--pid", "--fork", "--kill-child=KILL", o.kernel, "time-travel=inf-cpu", "mem=%dM" % megabytes, "root=none", "rootfstype=hostfs",
               "rootflags=/", "ro", "init=" + init, "quiet", "panic=-1", "con=null"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=o.wall)
    except subprocess.TimeoutExpired:
        with open(os.path.join(work, log), "a") as f:
            f.write("\nFAILED %s after %d s\n" % (name, o.wall))
    with open(os.path.join(work, log), errors="replace") as f:
        return f.read().split("\n")


def merge(path, rows, names, others):
    """Rows of this run replace those of the same tool and cell."""
    key = lambda r: tuple(str(r[f]) for f in names)
    kept = {}
    if os.path.exists(path):
        with open(path) as f:
            kept = {key(r): r for r in csv.DictReader(f, restval="")}
    for r in rows:
        kept[key(r)] = r
    order = {name_of(t): i for i, t in enumerate(TOOLS)}
    with open(path + ".new", "w", newline="") as f:
        out = csv.DictWriter(f, names + others, lineterminator="\n")
        out.writeheader()
        out.writerows(sorted(kept.values(), key=lambda r: (float(r["mbit_s"]), float(r["rtt_ms"]), float(r["loss_percent"]),
                                                          order.get("%s-%s-%s" % (r["tool"], r["congestion"], r["connections"]), 99), key(r))))
    os.rename(path + ".new", path)


def main():
    numbers = lambda text: [float(n) for n in text.split(",")]
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("kernel")
    p.add_argument("--rates", type=numbers, default=[100])
    p.add_argument("--rtts", type=numbers, default=[10, 50, 150, 300])
    p.add_argument("--losses", type=numbers, default=[0, 0.1, 1, 2])
    p.add_argument("--tools", default="all")
    p.add_argument("--mode", choices=list(MODES), default="matrix")
    p.add_argument("--seconds", type=int, default=15, help="what the link carries in this time is the file; 0: 6 s or 50 round trips")
    p.add_argument("--options", default="", help="more options for dxwan send")
    p.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the processor to run on")
    p.add_argument("--csv", help="default: that of the mode in bench/results")
    p.add_argument("--wall", type=int, default=1800, help="real seconds for a cell")
    p.add_argument("--work", default="/var/tmp")
    o = p.parse_args()
    os.sched_setaffinity(0, {o.cpu})
    tools = TOOLS if o.tools == "all" else [(t.split("-")[0], t.split("-")[1], int(t.split("-")[2])) for t in o.tools.split(",")]
    name, names, others = MODES[o.mode]
    o.csv = o.csv or os.path.join(TOP, "bench/results", name)
    failed = False
    work = tempfile.mkdtemp(prefix="bench-wan.", dir=o.work)
    try:
        shutil.copy(os.path.join(TOP, "build/dxwan"), work)
        for cell in [(int(r), t, l) for r in o.rates for t in o.rtts for l in o.losses]:
            rows = []
            for line in boot(o, work, cell, tools):
                if line.startswith(("ROW ", "PING ", "FAILED ")) or os.environ.get("VERBOSE"):
                    print(line, flush=True)
                if line.startswith("ROW "):
                    rows.append(dict(zip(names + others, line[4:].split(","), strict=True)))
                failed |= line.startswith("FAILED")
            merge(o.csv, rows, names, others)
    finally:
        shutil.rmtree(work)
    sys.exit(failed)


if sys.argv[1:2] == ["guest"]:
    guest(argparse.Namespace(**json.loads(sys.argv[2])))
elif sys.argv[1:2] == ["serve"]:
    serve(sys.argv[2])
else:
    main()
