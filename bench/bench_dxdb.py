#!/usr/bin/env python3
"""dxdb beside pgbench, PgBouncer and Redis on one query, and beside nginx and h2o, which serve the same JSON from a file; the times from a
commit to what follows from it; memory for idle connections: bench/results/dxdb.csv, and the table in bench/README.md. All servers are started
here, and what is not installed is left out.
usage: bench_dxdb.py [SECONDS [ROUNDS [SUBSCRIBERS...]]]"""
import contextlib, csv, glob, os, re, resource, shutil, signal, socket, subprocess, sys, tempfile, time

top = os.getcwd()
LOAD = os.path.abspath("build/bench_dxdb")
sys.dont_write_bytecode = True
sys.path[:0] = ["tests/programs"]
import test_dxdb
from readme_table import write_table

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 200
SUBSCRIBERS = [int(n) for n in sys.argv[3:]] or [1, 1000, 10000]
CELLS = [(1, 1), (8, 1), (8, 16)]          # connections, requests under way on each
IDLE = [1000, 100000]                      # connections, as far as the system's limit allows
SQL = "SELECT id, v, name FROM bench WHERE id = $1"
ROWS = "CREATE TABLE bench (id int PRIMARY KEY, v int, name text); INSERT INTO bench SELECT i, 0," \
       " (SELECT string_agg(md5(i * 100 + j || ''), '') FROM generate_series(1, 10) j) FROM generate_series(1, 1000) i;"
COLUMNS = ["what", "peer", "connections", "depth", "load", "per_s", "p50_us", "p99_us", "p999_us", "worst_us", "cpu_ns", "bytes", "kernel_bytes"]
results = []


class Quiet(test_dxdb.Postgres):
    """Without a log of its statements."""

    def start(self):
        options = "-k %s -c listen_addresses= -F -c shared_buffers=64MB -c max_connections=60" % self.place
        self.command("pg_ctl", "-D", self.place + "/data", "-w", "-l", self.place + "/log", "-o", options, "start")


# ---- processes
def tree(pid):
    """The process and its children."""
    with contextlib.suppress(OSError):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [pid] + [p for child in f.read().split() for p in tree(int(child))]
    return [pid]


def pin(pids, where):
    """Run them on these processors, as far as there are several."""
    if len(CPUS) > 1:
        for pid in pids:
            for task in glob.glob("/proc/%d/task/*" % pid):
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(os.path.basename(task)), where)


def cpu_of(pids):
    """ns that they have run."""
    total = 0
    for path in [p for pid in pids for p in glob.glob("/proc/%d/task/*/schedstat" % pid)]:
        with contextlib.suppress(OSError):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True


@contextlib.contextmanager
def running(command, ready, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        test_dxdb.until(lambda: process.poll() is not None or ready())
        assert process.poll() is None, "%s has ended" % command[0]
        yield process
    finally:
        process.terminate()
        process.wait(20)


# ---- results
def keep(what, peer, connections="", depth="", load="", **figures):
    row = dict.fromkeys(COLUMNS, "") | {"what": what, "peer": peer, "connections": connections, "depth": depth, "load": load}
    row |= {name: ("%.1f" % value).removesuffix(".0") if isinstance(value, float) else value for name, value in figures.items()}
    results.append(row)
    print(",".join(str(row[name]) for name in COLUMNS), flush=True)
    return row


def load(*arguments):
    command = [LOAD, *map(str, arguments)]
    if len(CPUS) > 1 and arguments[0] == "get":
        command = ["taskset", "-c", str(CPUS[-1]), *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, "%s: %s" % (" ".join(command), done.stderr)
    return [float(x) for x in done.stdout.split()]


def both_loads(what, peer, connections, depth, measure):
    """At full load, then at half of that; measure(rate) returns the figures."""
    full = measure(0)
    keep(what, peer, connections, depth, "full", **full)
    return full, keep(what, peer, connections, depth, "half", **measure(full["per_s"] / 2))


def gets(peer, kind, address, pids, text):
    def measure(connections, depth, rate):
        names = ("per_s", "p50_us", "p99_us", "p999_us", "worst_us", "cpu_ns", "bytes")
        found = load("get", address, kind, connections, depth, SECONDS, text, "rate=%.0f" % rate, "pids=" + ",".join(map(str, pids)))
        return dict(zip(names, found))
    pin(pids, {CPUS[0]})
    for connections, depth in CELLS:
        both_loads("get", peer, connections, depth, lambda rate: measure(connections, depth, rate))
    pin(pids, set(CPUS))


# ---- peers
def percentiles(pattern):
    """p50, p99, p99.9 and the worst of the latencies in the logs of pgbench."""
    found = []
    for path in glob.glob(pattern):
        with open(path) as f:
            found += [int(line.split()[2]) for line in f]
        os.remove(path)
    found.sort()
    return {name: float(found[min(len(found) - 1, int(len(found) * share))]) for name, share in
            (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("worst_us", 1))} if found else {}


def pgbench(peer, url, servers):
    with open("get.sql", "w") as f:
        f.write("\\set id 7\n" + SQL.replace("$1", ":id") + ";\n")

    def measure(connections, rate):
        command = ["taskset", "-c", str(CPUS[-1])] if len(CPUS) > 1 else []
        command += [postgres.bin + "/pgbench", "-n", "-M", "prepared", "-f", "get.sql", "-c", str(connections), "-T", "%d" % max(1, SECONDS),
                    "-l", "--log-prefix=lat"] + (["-R", "%d" % rate] if rate else [])
        process = subprocess.Popen([*command, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        pids = [p for server in servers for p in tree(server)]
        begun, used = time.monotonic(), cpu_of(pids)
        time.sleep(max(1, SECONDS) - 0.6)
        spent, used = time.monotonic() - begun, cpu_of(pids) - used
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        per_s = float(re.search(r"tps = ([0-9.]+)", out)[1])
        return {"per_s": per_s, "cpu_ns": used / (per_s * spent)} | percentiles("lat.*")
    for server in servers:
        pin(tree(server), {CPUS[0]})
    for connections in sorted({connections for connections, _ in CELLS}):
        both_loads("get", peer, connections, 1, lambda rate: measure(connections, rate))
    for server in servers:
        pin(tree(server), set(CPUS))


def bouncer():
    path = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        print("not here: pgbouncer")
        return
    place = tempfile.mkdtemp(prefix="dxdb")
    try:
        with open(place + "/b.ini", "w") as f:
            f.write("[databases]\npostgres = host=%s user=test dbname=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nauth_type = any\n"
                    "unix_socket_dir = %s\nlogfile = %s/log\npool_mode = session\n" % (postgres.place, place, place))
        if postgres.user:
            for name in (place, place + "/b.ini"):
                os.chown(name, postgres.user["user"], postgres.user["group"])
        os.chmod(place, 0o755)
        with running([path, "-q", place + "/b.ini"], lambda: os.path.exists(place + "/.s.PGSQL.6432"), **postgres.user) as process:
            pgbench("pgbouncer", "host=%s port=6432 user=test dbname=postgres" % place, [process.pid, postmaster()])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def redis_benchmark(port, connections, depth):
    """GET of the key by Redis' own load generator."""
    count = str(int(SECONDS * (20000 if depth == 1 else 200000)))
    command = ["taskset", "-c", str(CPUS[-1])] if len(CPUS) > 1 else []
    command += ["redis-benchmark", "-p", str(port), "-n", count, "-c", str(connections), "-P", str(depth), "--csv", "GET", "row"]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    values = list(csv.DictReader(out.splitlines()))[0]
    keep("get", "redis-benchmark", connections, depth, "full", per_s=float(values["rps"]), p50_us=float(values["p50_latency_ms"]) * 1000,
         p99_us=float(values["p99_latency_ms"]) * 1000, worst_us=float(values["max_latency_ms"]) * 1000)


def redis(row):
    """The same bytes as a value of Redis."""
    if not shutil.which("redis-server") or not shutil.which("redis-benchmark"):
        print("not here: redis-server, redis-benchmark (Debian: redis)")
        return
    port = free_port()
    with running(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], lambda: accepts(port)) as process:
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nrow\r\n$%d\r\n%s\r\n" % (len(row), row))
            assert s.recv(100) == b"+OK\r\n"
        gets("redis", "redis", "127.0.0.1:%d" % port, tree(process.pid), "row")
        pin(tree(process.pid), {CPUS[0]})
        for connections, depth in CELLS:
            redis_benchmark(port, connections, depth)


# ---- HTTP
NGINX = """worker_processes 1; daemon off; error_log %(place)s/log; pid %(place)s/pid; %(user)s
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100; default_type application/json;
  client_body_temp_path %(place)s/t; proxy_temp_path %(place)s/t; fastcgi_temp_path %(place)s/t; uwsgi_temp_path %(place)s/t; scgi_temp_path %(place)s/t;
  server { listen 127.0.0.1:%(port)d; root %(place)s; } }
"""
H2O = """num-threads: 1
pid-file: %(place)s/pid
error-log: %(place)s/log
%(user)s
listen: {host: 127.0.0.1, port: %(port)d}
hosts: {default: {paths: {"/": {"file.dir": %(place)s}}}}
"""


def web_servers(body):
    """The same JSON from a file, one process each."""
    for name, text, user in (("nginx", NGINX, "user root;"), ("h2o", H2O, "user: root")):
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if not path:
            print("not here: %s" % name)
            continue
        place = tempfile.mkdtemp(prefix="dxdb")
        port = free_port()
        try:
            with open(place + "/row.json", "wb") as f:
                f.write(body)
            with open(place + "/conf", "w") as f:
                f.write(text % {"place": place, "port": port, "user": "" if os.getuid() else user})
            with running([path, "-c", place + "/conf"], lambda: accepts(port)) as process:
                gets(name, "http", "127.0.0.1:%d" % port, tree(process.pid), "/row.json")
        finally:
            shutil.rmtree(place, ignore_errors=True)


# ---- idle connections
def more_descriptors(count):
    """How many of them this process, and those that it starts, may have: root may raise the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (hard, max(count, hard)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def memory_of(server):
    """Resident bytes of the process, and bytes of the kernel's own objects."""
    with open("/proc/meminfo") as f:
        return server.memory() * 1024, int(re.search(r"Slab:\s*(\d+)", f.read())[1]) * 1024


def idle():
    """Bytes for each connection that has asked once and is silent: of dxdb, and of the kernel for both ends."""
    most = more_descriptors(max(IDLE) + 1000) - 1000
    for count in sorted({min(count, most) for count in IDLE}):
        with test_dxdb.Server({"row": {"sql": SQL, "parameters": ["id"]}}, server="connections = %d" % (count + 100)) as s:
            s.get("row", id=7)
            before = memory_of(s)
            client = subprocess.Popen([LOAD, "idle", "%s:%d" % s.at["hbtp"], str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert client.stdout.readline() == b"open\n", "the connections cannot be opened"
            after = memory_of(s)
            s.get("row", id=7)
            client.communicate()
            keep("idle", "dxdb-hbtp", count, bytes=(after[0] - before[0]) / count, kernel_bytes=(after[1] - before[1]) / count)


def postmaster():
    with open(postgres.place + "/data/postmaster.pid") as f:
        return int(f.readline())


# ---- dxdb
def dxdb():
    """Returns the bytes of the record, and the JSON."""
    room = max(SUBSCRIBERS) + 100
    with test_dxdb.Server({"row": {"sql": SQL, "parameters": ["id"]}}, server="connections = %d" % room) as s:
        row = s.fetch("/q/row?id=7", {"Accept": "application/x-dx-teleport"})[2]
        body = s.fetch("/q/row?id=7")[2]
        at = {protocol: "%s:%d" % address for protocol, address in s.at.items()}
        gets("dxdb-hbtp", "hbtp", at["hbtp"], [s.process.pid], "7")
        gets("dxdb-http", "http", at["http"], [s.process.pid], "/q/row?id=7")
        found = load("commit", at["hbtp"], ROUNDS, postgres.url)
        for what, figures in (("commit-invalidated", found[:3]), ("commit-read", found[3:])):
            keep(what, "dxdb-hbtp", 1, 1, **dict(zip(("p50_us", "p99_us", "worst_us"), figures)))
        for count in SUBSCRIBERS:
            found = load("watch", at["hbtp"], count, max(10, ROUNDS * 20 // (20 + count // 50)), postgres.url)
            for what, figures in (("commit-patch", found[:3]), ("commit-last-patch", found[3:])):
                keep(what, "dxdb-hbtp", count, 1, **dict(zip(("p50_us", "p99_us", "worst_us"), figures)))
        return row, body


# ---- the table
def cell(what, peer, connections, depth, load):
    for row in results:
        if (row["what"], row["peer"], row["connections"], row["depth"], row["load"]) == (what, peer, connections, depth, load):
            return row
    return {}


def table():
    lines = ["| GET of %s bytes: connections x depth |" % cell("get", "redis", 1, 1, "full").get("bytes", "the same") +
             "".join(" %dx%d |" % c for c in CELLS), "|---" * (len(CELLS) + 1) + "|"]
    for peer in ("dxdb-hbtp", "dxdb-http", "nginx", "h2o", "redis", "redis-benchmark", "pgbench", "pgbouncer"):
        rows = [(cell("get", peer, *c, "full"), cell("get", peer, *c, "half")) for c in CELLS]
        if not any(full for full, _ in rows):
            continue
        def show(full, half):
            if not full:
                return "-"
            times = full.get("p999_us") and "; %s, %s, %s us" % (full["p50_us"], full["p99_us"], full["p999_us"])
            half = half.get("p50_us") and "; half: %s us" % half["p50_us"]
            return "{:,.0f}/s{}{}{}".format(float(full["per_s"]), times or "", half or "", full["cpu_ns"] and "; %.1f us" % (float(full["cpu_ns"]) / 1000))
        lines.append("| %s | %s |" % (peer, " | ".join(show(*r) for r in rows)))
    lines += ["", "| after a COMMIT, us | p50 | p99 | worst |", "|---|---|---|---|"]
    names = {"commit-invalidated": "gets are no longer answered with the old row", "commit-read": "a get is answered with the new one",
             "commit-patch": "the patch has reached one of %s subscribers", "commit-last-patch": "the patch has reached the last of %s subscribers"}
    for row in results:
        if row["what"] in names:
            name = names[row["what"]]
            name = name % "{:,}".format(row["connections"]) if "%" in name else name
            lines.append("| %s | %s | %s | %s |" % (name, row["p50_us"], row["p99_us"], row["worst_us"]))
    lines += ["", "| idle connections | bytes of dxdb for each | of the kernel, both ends |", "|---|---|---|"]
    lines += ["| {:,} | {:,.0f} | {:,.0f} |".format(row["connections"], float(row["bytes"]), float(row["kernel_bytes"]))
              for row in results if row["what"] == "idle"]
    return "\n".join(lines)


def write_results():
    with open("bench/results/dxdb.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(results)
    write_table("make bench-dxdb", table())


def main():
    global postgres, CPUS
    CPUS = sorted(os.sched_getaffinity(0))
    postgres = test_dxdb.postgres = Quiet()
    work = tempfile.mkdtemp()
    try:
        os.chdir(work)
        postgres.fresh(ROWS)
        row, body = dxdb()
        web_servers(body)
        redis(row)
        pgbench("pgbench", postgres.url, [postmaster()])
        bouncer()
        idle()
    finally:
        os.chdir(top)
        postgres.end()
        shutil.rmtree(work, ignore_errors=True)
    write_results()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
