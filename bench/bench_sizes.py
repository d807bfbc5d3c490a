#!/usr/bin/env python3
"""Bytes and memory over the size of a file: a first copy and an update of dxup, next to rsync -z.
usage: bench_sizes.py [--sparse] SIZE...      such as 1M 64M 1G; the rows of other sizes in the CSV are kept
Writes bench/results/sizes.csv, sizes.md and sizes.svg. The disk needs space for six times the largest size.

A file is a tar of the files in /usr, in an order that a seed decides. In the second version 2 % of these files are
missing, 2 % are new, and 6 % have one to three places where some bytes were replaced or inserted. With --sparse nine tenths
of the file are holes.

Memory: "anon" is the peak of RssAnon, sampled; "peak" is what the system says of the whole process, mapped files
and code included."""
import csv, math, os, random, re, shutil, signal, subprocess, sys, tarfile, tempfile, threading, time, io

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DXUP = os.path.abspath(os.environ.get("DXUP", ROOT + "/build/dxup"))
CSV = ROOT + "/bench/results/sizes.csv"
HEAD = ["size", "content", "tool", "first", "update", "server_anon_kb", "server_peak_kb", "client_anon_kb", "client_peak_kb"]
SOURCES = ["/usr/bin", "/usr/lib", "/usr/include", "/usr/share"]
CUT = 512 << 10  # a longer file would make small and large tars differ


def sources(limit):
    """Paths and sizes, in a random order that is always the same."""
    found = []
    for top in SOURCES:
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not os.path.islink(path) and os.path.isfile(path) and 0 < os.path.getsize(path) <= limit:
                    found.append((path, os.path.getsize(path)))
    random.Random(1).shuffle(found)
    return found


def edited(r, data):
    for _ in range(r.randint(1, 3)):
        at = r.randrange(len(data) + 1)
        data = data[:at] + r.randbytes(r.randint(1, 100)) + data[at + r.choice([0, 0, 4, 100]):]
    return data


class Holes:
    """A file that receives tenths of content, each followed by a hole."""
    def __init__(self, path, piece):
        self.f, self.piece, self.left = open(path, "wb"), piece, piece

    def write(self, data):
        data = memoryview(data)
        while data:
            part = data[:self.left] if self.piece else data
            self.f.write(part)
            data = data[len(part):]
            self.left -= len(part)
            if self.piece and not self.left:
                self.f.seek(9 * self.piece, 1)
                self.left = self.piece
        return 0


def make(size, sparse, old, new):
    """Write both versions."""
    content = size // 10 if sparse else size
    piece = 1 << 20 if sparse else 0
    outs = [Holes(old, piece), Holes(new, piece)]
    tars = [tarfile.open(fileobj=o, mode="w|", bufsize=1 << 16, format=tarfile.GNU_FORMAT) for o in outs]
    r, made = random.Random(2), 0
    files = sources(CUT)
    spare = files[len(files) * 9 // 10:]
    files = files[:len(files) * 9 // 10]

    def add(which, name, data):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.size = len(data)
        tars[which].addfile(info, io.BytesIO(data))
    for turn in range(100):  # a second time over the same files if there are too few
        for path, size_now in files:
            if made >= content:
                break
            data = open(path, "rb").read()
            name, fate = "%d%s" % (turn, path), r.random()
            add(0, name, data)
            made += len(data) + 1024
            if fate < 0.02:
                continue
            if fate < 0.04:
                extra = r.choice(spare)[0]
                add(1, "%d/new%s" % (turn, extra), open(extra, "rb").read())
            add(1, name, edited(r, data) if fate > 0.94 else data)
    for t, o in zip(tars, outs):
        t.close()
        o.f.truncate(o.f.tell())
        o.f.close()


class Watched:
    """A process whose memory is sampled."""
    def __init__(self, *command, **more):
        self.p = subprocess.Popen(command, **more)
        self.anon, self.peak = 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def look(self):
        try:
            text = open("/proc/%d/status" % self.p.pid).read()
        except OSError:
            return
        for field in re.findall(r"^(RssAnon|VmHWM):\s*(\d+) kB", text, re.M):
            if field[0] == "RssAnon":
                self.anon = max(self.anon, int(field[1]))
            else:
                self.peak = max(self.peak, int(field[1]))

    def sample(self):
        while not self.over.wait(0.005):
            self.look()

    def end(self, signal_first=None):
        if signal_first:
            self.look()
            self.p.send_signal(signal_first)
        out = self.p.communicate()[0]
        self.over.set()
        self.thread.join()
        if self.p.returncode:
            sys.exit("%s: status %d" % (self.p.args, self.p.returncode))
        return out


def pull(address):
    w = Watched(DXUP, "pull", address, "t", "out", "--report", stdout=subprocess.PIPE, text=True)
    out = w.end()
    return int(re.search(r"wire=(\d+)", out)[1]), w.anon, w.peak


def run_dxup():
    quiet = {"stdout": subprocess.DEVNULL}
    subprocess.run([DXUP, "publish", "store", "t", "old"], check=True, **quiet)
    server = Watched(DXUP, "serve", "store", "--listen", "127.0.0.1:0", stdout=subprocess.PIPE, text=True)
    address = server.p.stdout.readline().split()[2]
    first = pull(address)
    subprocess.run([DXUP, "publish", "store", "t", "new"], check=True, **quiet)
    update = pull(address)
    server.end(signal.SIGTERM)
    if subprocess.run(["cmp", "new", "out"]).returncode:
        sys.exit("the content differs")
    return [first[0], update[0], server.anon, server.peak, max(first[1], update[1]), max(first[2], update[2])]


def run_rsync():
    def copy(source):
        text = subprocess.run(["rsync", "-aSz", "--no-whole-file", "--checksum", "--stats", source, "out.rsync"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        return sum(int(n.replace(",", "")) for n in re.findall(r"^Total bytes (?:sent|received): ([\d,]+)", text, re.M))
    return [copy("old"), copy("new"), "", "", "", ""]


def measure(text, sparse):
    size = int(text[:-1]) << {"M": 20, "G": 30}[text[-1]]
    rows = []
    work = tempfile.mkdtemp()
    os.chdir(work)
    try:
        make(size, sparse, "old", "new")
        content = "sparse" if sparse else "tar"
        for tool, run in (("dxup", run_dxup), ("rsync -z", run_rsync)):
            began = time.time()
            rows.append([size, content, tool] + run())
            print(text, *rows[-1][1:], "%.0f s" % (time.time() - began), flush=True)
            for name in ("store", "out"):
                shutil.rmtree(name, ignore_errors=True) if name == "store" else os.path.exists(name) and os.remove(name)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(work)
    return rows


def load():
    if not os.path.exists(CSV):
        return {}
    rows = list(csv.reader(open(CSV)))[1:]
    return {(int(r[0]), r[1], r[2]): [int(r[0])] + r[1:] for r in rows}


def size_text(n):
    return "%d GiB" % (n >> 30) if n >= 1 << 30 else "%d MiB" % (n >> 20)


def table(rows):
    out = ["| size | content | first copy | of rsync -z | update | of rsync -z | server, MB of memory (anonymous) | client |", "|---" * 8 + "|"]
    for (size, content, tool), r in sorted(rows.items()):
        peer = rows.get((size, content, "rsync -z"))
        if tool != "dxup":
            continue
        part = lambda k: "%.2f" % (int(r[k]) / int(peer[k])) if peer else "not measured"
        mb = ["%.0f (%.0f)" % (int(r[k + 1]) / 1024, int(r[k]) / 1024) for k in (5, 7)]
        out.append("| %s | %s | %s | %s | %s | %s | %s | %s |" % (
            size_text(size), content, format(int(r[3]), ","), part(3), format(int(r[4]), ","), part(4), mb[0], mb[1]))
    return "\n".join(out) + "\n"


def chart(rows, path):
    """Bytes on the wire over the size of the file, both logarithmic."""
    lines = [("dxup", 3, "first copy, dxup", "#1b6ca8", ""), ("rsync -z", 3, "first copy, rsync -z", "#8a8a8a", ""),
             ("dxup", 4, "update, dxup", "#1b6ca8", "5 3"), ("rsync -z", 4, "update, rsync -z", "#8a8a8a", "5 3")]
    points = {l[2]: sorted((k[0], int(r[l[1]])) for k, r in rows.items() if k[1] == "tar" and k[2] == l[0]) for l in lines}
    every = [p for ps in points.values() for p in ps]
    x0, x1 = math.log2(min(p[0] for p in every)), math.log2(max(p[0] for p in every))
    y0, y1 = math.floor(math.log10(min(p[1] for p in every))), math.ceil(math.log10(max(p[1] for p in every)))
    left, top, width, height = 70, 30, 560, 330
    x = lambda n: left + (math.log2(n) - x0) / max(x1 - x0, 1) * width
    y = lambda n: top + height - (math.log10(n) - y0) / (y1 - y0) * height
    svg = []
    for e in range(y0, y1 + 1):
        svg.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>' % (left, left + width, y(10 ** e), y(10 ** e)))
        name = {3: "1 KB", 4: "10 KB", 5: "100 KB", 6: "1 MB", 7: "10 MB", 8: "100 MB", 9: "1 GB", 10: "10 GB"}[e]
        svg.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (left - 6, y(10 ** e) + 4, name))
    for size in sorted({p[0] for p in every}):
        svg.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x(size), top + height + 18, size_text(size)))
    for k, (_, _, name, colour, dash) in enumerate(lines):
        svg.append('<polyline fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s" points="%s"/>' % (
            colour, dash, " ".join("%.1f,%.1f" % (x(a), y(b)) for a, b in points[name])))
        svg += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x(a), y(b), colour) for a, b in points[name]]
        svg.append('<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>' % (
            left + 145 * k, left + 145 * k + 24, 12, 12, colour, dash))
        svg.append('<text x="%d" y="16">%s</text>' % (left + 145 * k + 30, name))
    open(path, "w").write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">'
                          '<rect width="100%%" height="100%%" fill="#fff"/>%s</svg>\n' % (left + width + 40, top + height + 34, "\n".join(svg)))


def main(arguments):
    sparse = "--sparse" in arguments
    rows = load()
    for text in [a for a in arguments if a != "--sparse"]:
        for r in measure(text, sparse):
            rows[r[0], r[1], r[2]] = r
        with open(CSV, "w") as f:
            csv.writer(f, lineterminator="\n").writerows([HEAD] + [rows[k] for k in sorted(rows)])
    open(CSV[:-3] + "md", "w").write(table(rows))
    chart(rows, CSV[:-3] + "svg")


main(sys.argv[1:])
