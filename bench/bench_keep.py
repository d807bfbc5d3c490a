#!/usr/bin/env python3
"""dxkeep beside restic, borg and zstd -3 of whole files, over twenty versions of a checkpoint, a configuration, a SQLite database and
frames of a screen; and what dxkeep costs the program that it runs: bench/results/keep.csv, and the table in bench/README.md.

usage: bench_keep.py [PART...]     series pause durable restore start pgbench; default: all. Results of other parts stay in the file.

ROUNDS=6 (of pgbench, with and without dxkeep in turn) SECONDS=8 (each) WORK=where files are made (build/)
A peer that is not installed is left out and named. Processor times are of a process and its children; wall times depend on the load of the
machine, which is in the head of the CSV file."""
import csv, glob, os, pwd, random, re, shutil, sqlite3, statistics, subprocess, sys, tempfile, time

from readme_table import write_table

TOP = os.getcwd()
DXKEEP = os.path.abspath("build/dxkeep")
ROUNDS = int(os.environ.get("ROUNDS") or 6)
SECONDS = float(os.environ.get("SECONDS") or 8)
RESULTS = "bench/results/keep.csv"
VERSIONS = 20
SEED = 40
QUIET_S = 0.1           # the default of --quiet-ms: how long a path must be quiet before it is captured
COLUMNS = ["part", "figure", "series", "tool", "value", "unit", "bar"]
rows = []
heads = {}              # a line for each part
part = ""               # the one that runs


def note(figure, series, tool, value, unit, bar=""):
    value = ("%.4g" % value if value < 1000 else "%d" % round(value)) if isinstance(value, float) else str(value)
    rows.append(dict(zip(COLUMNS, (part, figure, series, tool, value, unit, str(bar)))))
    print(",".join(rows[-1].values()), flush=True)


def value_of(figure, series, tool):
    for row in rows:
        if (row["figure"], row["series"], row["tool"]) == (figure, series, tool):
            return float(row["value"])
    return None


def share(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * part))]


# ---- processes
class Used:
    """What a process and the children that it has waited for have used."""

    def __init__(self, process):
        _, status, use = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, "%s ended with status %d" % (" ".join(process.args), process.returncode)
        self.processor_s = use.ru_utime + use.ru_stime


def run(*command, **more):
    begun = time.monotonic()
    used = Used(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=more.pop("stdout", subprocess.DEVNULL), **more))
    used.wall_s = time.monotonic() - begun
    return used


# ---- the series: each makes data/ as the next version, twenty times
def checkpoint(dice):
    """256 MB of 32-bit floats in 80 tensors, of which 16 have new values in each version, as when the other layers are frozen."""
    exponents = bytes(dice.choice([0x3c, 0x3c, 0x3d, 0xbc, 0xbd, 0x3b, 0xbb, 0x3d]) for _ in range(256))

    def tensor():
        floats = bytearray(3200000)
        for byte in range(3):
            floats[byte::4] = dice.randbytes(len(floats) // 4)
        floats[3::4] = dice.randbytes(len(floats) // 4).translate(exponents)
        return floats

    for version in range(VERSIONS):
        with open("data/model.bin", "r+b" if version else "wb") as f:
            for i in sorted(dice.sample(range(80), 16)) if version else range(80):
                f.seek(i * 3200000)
                f.write(tensor())
        yield


WORDS = "cache timeout workers listen address buffer limit retry queue path log level user group size socket table index backlog pool".split()


def configuration(dice):
    """A text file of 10 KB, of which one line in 20 has a new value in each version."""
    def value():
        return dice.choice([str(dice.randrange(10000)), "%dms" % dice.randrange(9999), '"/srv/%s/%s"' % (dice.choice(WORDS), dice.choice(WORDS)),
                            dice.choice(["true", "false"]), '"10.%d.%d.%d"' % tuple(dice.randrange(256) for _ in range(3))])
    keys = []
    while len("".join(keys)) < 6400:
        keys.append("%s.%s_%s" % (dice.choice(WORDS), dice.choice(WORDS), dice.choice(WORDS)))
    lines = [[key, value()] for key in keys]
    for version in range(VERSIONS):
        for line in dice.sample(lines, len(lines) // 20) if version else []:
            line[1] = value()
        with open("data/app.conf", "w") as f:
            f.write("".join("%s = %s\n" % tuple(line) for line in lines))
        yield


def database(dice):
    """SQLite with a log (WAL), 50,000 rows and an index: 600 transactions between two versions, of which half change a row, half add one.
    The connection stays open, so the log is part of each version."""
    text = lambda: " ".join(dice.choices(WORDS, k=20)) + " %x" % dice.getrandbits(64)
    with sqlite3.connect("data/app.db", isolation_level=None) as c:
        c.execute("PRAGMA journal_mode = WAL")
        c.execute("PRAGMA synchronous = OFF")
        c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, key TEXT, note TEXT)")
        c.execute("BEGIN")
        c.executemany("INSERT INTO t VALUES (?, ?, ?)", (("%d" % i, "%016x" % dice.getrandbits(64), text()) for i in range(50000)))
        c.execute("CREATE INDEX i ON t (key)")
        c.execute("COMMIT")
        for _ in range(VERSIONS):
            for _ in range(300):
                c.execute("UPDATE t SET note = ? WHERE id = ?", (text(), dice.randrange(50000)))
                c.execute("INSERT INTO t (key, note) VALUES (?, ?)", ("%016x" % dice.getrandbits(64), text()))
            yield
    c.close()


def screen(dice):
    """Frames of a screen, 1280 x 720 pixels of 3 bytes, one file each that replaces the last: a photo behind a window of text that
    scrolls by two lines, a clock, a pointer that moves."""
    width, height = 1280, 720
    photo = []
    for y in range(height):
        base = bytes((60 + y // 8 + x // 24) & 0xfc for x in range(width) for _ in range(3))
        noise = dice.randbytes(width * 3).translate(bytes(b & 3 for b in range(256)))
        photo.append(bytes(a | b for a, b in zip(base, noise)))
    glyphs = [[b"".join(dice.choice([b"\0\0\0", b"\xff\xff\xff", b"\xff\xff\xff"]) for _ in range(8)) for _ in range(16)] for _ in range(60)]

    def line_of_text(columns):
        letters = [dice.choice(glyphs) for _ in range(columns)]
        return [b"".join(letter[y] for letter in letters) for y in range(16)]

    lines = [line_of_text(100) for _ in range(30)]
    for _ in range(VERSIONS):
        lines = lines[2:] + [line_of_text(100), line_of_text(100)]
        frame = list(photo)
        for y, scanline in enumerate(s for line in lines for s in line):
            frame[120 + y] = frame[120 + y][:600] + scanline + frame[120 + y][600 + len(scanline):]
        for y, scanline in enumerate(line_of_text(8)):
            frame[4 + y] = frame[4 + y][:3600] + scanline + frame[4 + y][3600 + len(scanline):]
        x, y = 3 * dice.randrange(width - 12), dice.randrange(height - 20)
        for at in range(y, y + 20):
            frame[at] = frame[at][:x] + b"\x20" * 36 + frame[at][x + 36:]
        with open("data/frame.rgb", "wb") as f:
            f.write(b"".join(frame))
        yield


SERIES = {"checkpoint": (checkpoint, 0.25), "configuration": (configuration, 0.2), "sqlite": (database, 0.2), "screen": (screen, 0.3)}


# ---- the tools: each takes the next version, and returns what it has used
def take_dxkeep(_):
    return run(DXKEEP, "capture", "dxkeep.store", "data", "--quiet")


def take_restic(version):
    if not version:
        run("restic", "init", "-q", "-r", "restic.store")
    return run("restic", "backup", "-q", "-r", "restic.store", "data")


def take_borg(version):
    if not version:
        run("borg", "init", "-e", "none", "borg.store")
    return run("borg", "create", "-C", "zstd,3", "borg.store::%d" % version, "data")


def take_zstd(version):
    """Every file whole, one after another. Only the sizes are kept: a line each."""
    total = None
    for path in sorted(glob.glob("data/*")):
        used = run("zstd", "-q", "-3", path, "-o", "compressed")
        with open("zstd.sizes", "a" if version or total else "w") as f:
            f.write("%d\n" % os.path.getsize("compressed"))
        os.remove("compressed")
        if total:
            total.processor_s += used.processor_s
        total = total or used
    return total


def stored_by(tool):
    if tool == "zstd":
        with open("zstd.sizes") as f:
            return sum(int(line) for line in f)
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(tool + ".store") for name in names)


TOOLS = {"dxkeep": take_dxkeep, "restic": take_restic, "borg": take_borg, "zstd": take_zstd}


def part_series():
    tools = [tool for tool in TOOLS if tool == "dxkeep" or shutil.which(tool) or print("not here: %s" % tool)]
    for name, (make, bar) in SERIES.items():
        os.mkdir("data")
        first, later = {}, {tool: [] for tool in tools}
        for version, _ in enumerate(make(random.Random(SEED))):
            for tool in tools:
                used = TOOLS[tool](version).processor_s
                later[tool].append(used) if version else first.update({tool: used})
        for tool in tools:
            note("stored", name, tool, stored_by(tool), "bytes")
            note("first capture", name, tool, first[tool], "processor s")
            note("later capture", name, tool, statistics.mean(later[tool]), "processor s")
        for peer in tools[1:]:
            limit = bar if peer == "zstd" else 0.3 if name == "screen" else ""
            note("stored, of %s" % peer, name, "dxkeep", value_of("stored", name, "dxkeep") / value_of("stored", name, peer), "ratio", limit)
        if "restic" in tools:
            note("later capture, of restic", name, "dxkeep", statistics.mean(later["dxkeep"]) / statistics.mean(later["restic"]), "ratio", 1)
        for path in ["data", *(tool + ".store" for tool in tools)]:
            shutil.rmtree(path, ignore_errors=path == "zstd.store")


# ---- dxkeep run
WRITER = """import os, random, time
dice = random.Random(1)
end = time.monotonic() + float(os.environ["SECONDS_OF_WRITING"])
while time.monotonic() < end:
    with open("data/d%d/f%d" % (dice.randrange(10), dice.randrange(20)), "wb") as f:
        f.write(dice.randbytes(dice.randrange(1, 65536)))
    time.sleep(0.005)
"""


def part_pause():
    """A program that writes 200 files a second, of 32 KB on average, all the time."""
    for i in range(10):
        os.makedirs("data/d%d" % i)
    environment = dict(os.environ, SECONDS_OF_WRITING="40")
    with open("said", "wb") as said:
        used = run(DXKEEP, "run", "store", "data", "--verbose", "--", sys.executable, "-c", WRITER, stderr=said, env=environment)
    with open("said") as f:
        text = f.read()
    pauses = sorted(float(ms) for ms in re.findall(r"stopped for ([0-9.]+) ms", text))
    versions = text.count("files read")
    note("pauses", "writer", "dxkeep", len(pauses), "count")
    note("pause p50", "writer", "dxkeep", share(pauses, 0.5), "ms", 5)
    note("pause p99", "writer", "dxkeep", share(pauses, 0.99), "ms", 30)
    note("pause longest", "writer", "dxkeep", pauses[-1], "ms")
    note("versions that are consistent", "writer", "dxkeep", text.count("; consistent") / versions, "ratio")
    note("processor time of dxkeep and the writer", "writer", "dxkeep", used.processor_s / used.wall_s, "of a processor")


def part_durable():
    """From the end of the write of 1 KB to the version, which dxkeep reports once it is durable, less --quiet-ms."""
    os.mkdir("data")
    program = subprocess.Popen([DXKEEP, "run", "store", "data", "--verbose", "--", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    def version():
        line = ""
        while "files read" not in line:
            line = program.stderr.readline()
            assert line, "dxkeep has ended"
        return time.monotonic()

    took = []
    version()  # of the empty directory
    for i in range(61):
        time.sleep(0.5)
        with open("data/f%d" % (i % 10), "wb") as f:
            f.write(random.Random(i).randbytes(1024))
        begun = time.monotonic()
        took.append((version() - begun - QUIET_S) * 1e3)
        assert took[-1] > 0, "a version came before --quiet-ms"
    program.stdin.close()
    program.stderr.read()
    Used(program)
    took.sort()
    note("1 KB durable after --quiet-ms, p50", "", "dxkeep", share(took, 0.5), "ms", 20)
    note("1 KB durable after --quiet-ms, p99", "", "dxkeep", share(took, 0.99), "ms")


def many_files(folders, each, size_max):
    dice = random.Random(SEED)
    for folder in range(folders):
        os.makedirs("data/d%d" % folder)
        for i in range(each):
            with open("data/d%d/f%d" % (folder, i), "wb") as f:
                f.write(dice.randbytes(dice.randrange(1, size_max)))


def part_restore():
    many_files(10, 100, 8192)
    time.sleep(2.1)
    run(DXKEEP, "capture", "store", "data", "--quiet")
    found = {"dxkeep": [], "cp": []}
    for i in range(9):  # into new directories: ext4 is slow to create files where others were deleted seconds ago
        found["dxkeep"].append(run(DXKEEP, "restore", "store", "latest", "copy%d" % i, "--quiet"))
        found["cp"].append(run("cp", "-a", "data", "cp%d" % i))
        assert subprocess.call(["diff", "-r", "copy%d" % i, "cp%d" % i]) == 0, "the restored files are others"
    medians = {}
    for tool, all_used in found.items():
        medians[tool] = statistics.median(u.wall_s for u in all_used)
        note("restore of 1,000 files", "", tool, medians[tool] * 1e3, "ms", 100 if tool == "dxkeep" else "")
        note("restore of 1,000 files, processor", "", tool, statistics.median(u.processor_s for u in all_used) * 1e3, "ms")
    note("restore of 1,000 files, of cp -a", "", "dxkeep", medians["dxkeep"] / medians["cp"], "ratio", 0.5)


def peak_of(process):
    """MiB, of the process alone, looked at until it ends: ru_maxrss has the memory of this process as its least value."""
    peak = 0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        with open("/proc/%d/status" % process.pid) as f:
            found = re.search(r"VmHWM:\s*(\d+)", f.read())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.01)
    return peak / 1024


def part_start():
    """100,000 files: from the start of dxkeep to the start of its program, with an empty store and with one that has them."""
    many_files(100, 1000, 200)
    time.sleep(2.1)
    for series in ("empty store", "nothing has changed"):
        begun = time.time()
        process = subprocess.Popen([DXKEEP, "run", "store", "data", "--quiet", "--", "sh", "-c", "date +%s.%N >began"], stdin=subprocess.DEVNULL)
        peak = peak_of(process)
        used = Used(process)
        with open("began") as f:
            note("program started, 100,000 files", series, "dxkeep", float(f.read()) - begun, "s")
        note("processor time of a run, 100,000 files", series, "dxkeep", used.processor_s, "s")
        note("memory, 100,000 files", series, "dxkeep", peak, "MiB")


# ---- PostgreSQL
class Postgres:
    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"), key=lambda path: int(path.split("/")[4]))
        self.bin = os.path.dirname(found[-1])
        self.user = {} if os.getuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
        self.place = tempfile.mkdtemp(dir=os.getcwd())
        for name in ("data", "sockets"):
            os.mkdir(os.path.join(self.place, name), 0o700)
            if self.user:
                owner = pwd.getpwnam("postgres")
                os.chown(os.path.join(self.place, name), owner.pw_uid, owner.pw_gid)
        os.chmod(self.place, 0o755)
        self.data, self.sockets = self.place + "/data", self.place + "/sockets"
        run(self.bin + "/initdb", "-D", self.data, "-U", "test", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync", **self.user)

    def command(self):
        server = [self.bin + "/postgres", "-D", self.data, "-k", self.sockets, "-c", "listen_addresses=", "-c", "shared_buffers=64MB"]
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *server] if self.user else server

    def pgbench(self, *arguments):
        return subprocess.run([self.bin + "/pgbench", "-h", self.sockets, "-U", "test", *arguments, "postgres"], check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def measure(self, before, more):
        """Transactions a second of a server that is started by this command."""
        process = subprocess.Popen([*before, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            ready = lambda: subprocess.call([self.bin + "/pg_isready", "-q", "-h", self.sockets, "-U", "test"]) == 0
            end = time.monotonic() + 60
            while not ready():
                assert process.poll() is None and time.monotonic() < end, "PostgreSQL does not start"
                time.sleep(0.1)
            more()
            self.pgbench("-c", "4", "-T", "1", "-n")
            return float(re.search(r"tps = ([0-9.]+)", self.pgbench("-c", "4", "-T", "%d" % SECONDS, "-n"))[1]), process
        finally:
            process.terminate() if before else process.send_signal(2)
            said = process.stderr.read()
            process.said = said
            process.wait(60)


def part_pgbench():
    """TPC-B of pgbench, scale 10, four clients, with the defaults of PostgreSQL for durability; with and without dxkeep in turn."""
    if not glob.glob("/usr/lib/postgresql/*/bin/pgbench"):
        print("not here: pgbench")
        return
    server = Postgres()
    server.measure([], lambda: server.pgbench("-i", "-s", "10", "-q"))
    keeper = [DXKEEP, "run", "store", server.data, "--verbose", "--exclude", "/postmaster.pid", "--"]
    found, pauses = {"alone": [], "dxkeep": []}, []
    server.measure(keeper, lambda: None)  # the store has the files then
    for i in range(ROUNDS):
        for how in ("alone", "dxkeep") if i % 2 else ("dxkeep", "alone"):
            tps, process = server.measure(keeper if how == "dxkeep" else [], lambda: None)
            found[how].append(tps)
            pauses += [float(ms) for ms in re.findall(r"stopped for ([0-9.]+) ms", process.said)]
    for how, series in (("alone", "alone"), ("dxkeep", "dxkeep run")):
        note("pgbench", series, how, statistics.median(found[how]), "transactions a second")
    ratios = sorted(1 - with_it / alone for with_it, alone in zip(found["dxkeep"], found["alone"]))
    note("pgbench, loss", "least of the pairs", "dxkeep", ratios[0], "ratio")
    note("pgbench, loss", "median of the pairs", "dxkeep", statistics.median(ratios), "ratio", 0.01)
    note("pgbench, loss", "most of the pairs", "dxkeep", ratios[-1], "ratio")
    if pauses:
        note("pgbench, pauses", "of a second", "dxkeep", sum(pauses) / (ROUNDS * (SECONDS + 1)), "ms")


PARTS = {"series": part_series, "pause": part_pause, "durable": part_durable, "restore": part_restore, "start": part_start, "pgbench": part_pgbench}


# ---- results
def shown(row):
    value = "{:,}".format(int(row["value"])) if re.fullmatch(r"\d{4,}", row["value"]) else row["value"]
    return "%s %s" % (value, row["unit"]) if row["unit"] != "ratio" else value


def missed(row):
    return row["bar"] and float(row["value"]) > float(row["bar"])


def table():
    def cell(figure, name, tool):
        row = next((r for r in rows if (r["figure"], r["series"], r["tool"]) == (figure, name, tool)), None)
        if not row:
            return "-"
        return "%s%s" % (shown(row).replace(" bytes", "").replace(" processor s", ""), " (bar %s)" % ("**%s**" if missed(row) else "%s") % row["bar"] if row["bar"] else "")
    lines = ["| bytes of 20 versions | dxkeep | zstd -3 | restic | borg | of zstd | of restic | of borg |", "|---" * 8 + "|"]
    for name in SERIES:
        lines.append("| %s | %s | %s |" % (name, " | ".join(cell("stored", name, tool) for tool in ("dxkeep", "zstd", "restic", "borg")),
                                           " | ".join(cell("stored, of %s" % peer, name, "dxkeep") for peer in ("zstd", "restic", "borg"))))
    lines += ["", "| processor s of a capture after the first | dxkeep | zstd -3 | restic | borg | of restic |", "|---" * 6 + "|"]
    for name in SERIES:
        lines.append("| %s | %s | %s |" % (name, " | ".join(cell("later capture", name, tool) for tool in ("dxkeep", "zstd", "restic", "borg")),
                                           cell("later capture, of restic", name, "dxkeep")))
    lines += ["", "| dxkeep | | bar |", "|---|---|---|"]
    for row in rows:
        if row["figure"].startswith(("stored", "first capture", "later capture")):
            continue
        of = ", ".join(part for part in (row["series"], row["tool"] if row["tool"] != "dxkeep" else "") if part)
        bar = row["bar"] and ("**%s**" if missed(row) else "%s") % row["bar"]
        lines.append("| %s%s | %s | %s |" % (row["figure"], " (%s)" % of if of else "", shown(row), bar))
    return "\n".join(lines)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), os.uname().machine)
    lines = ["%s, %d processors" % (model, os.cpu_count())]
    for tool in ("restic", "borg", "zstd", "pgbench"):
        if shutil.which(tool):
            version = subprocess.run([tool, "version" if tool == "restic" else "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
            lines.append(version[0] if version else tool)
    return ["# %s\n" % line for line in lines]


def read_results():
    """Those of earlier runs, of which the parts that are measured now are replaced."""
    if os.path.exists(RESULTS):
        with open(RESULTS) as f:
            lines = f.readlines()
        heads.update((line.split()[2].rstrip(":"), line) for line in lines if line.startswith("# part "))
        rows.extend(csv.DictReader(line for line in lines if not line.startswith("#")))


def write_results():
    order = list(PARTS)
    rows.sort(key=lambda row: order.index(row["part"]))
    with open(RESULTS, "w", newline="") as f:
        f.writelines(machine() + [heads[name] for name in order if name in heads])
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_table("make bench-keep", table())


def measure(name):
    """A part, in a directory of its own."""
    global part
    part = name
    rows[:] = [row for row in rows if row["part"] != name]
    load, place = os.getloadavg()[0], os.path.join(os.getcwd(), name)
    os.makedirs(place)
    os.chdir(place)
    PARTS[name]()
    os.chdir("..")
    shutil.rmtree(place)
    heads[name] = "# part %s: %s, load %.1f before and %.1f after\n" % (name, time.strftime("%Y-%m-%d"), load, os.getloadavg()[0])


def main():
    parts = sys.argv[1:] or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit("no such part: %s; there are %s" % (unknown[0], " ".join(PARTS)))
    read_results()
    work = tempfile.mkdtemp(dir=os.path.abspath(os.environ.get("WORK") or "build"))
    os.environ.update(RESTIC_PASSWORD="bench", XDG_CACHE_HOME=work + "/cache", BORG_BASE_DIR=work + "/borg", BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes")
    os.chmod(work, 0o755)
    try:
        for name in parts:
            os.chdir(work)
            measure(name)
            os.chdir(TOP)
            write_results()
    finally:
        os.chdir(TOP)
        shutil.rmtree(work, ignore_errors=True)


main()
