#!/usr/bin/env python3
"""The charts of README.md and bench/README.md, from the CSV files in bench/results.
usage: charts.py          writes them (make bench)
       charts.py --check  prints those that are not what the CSV files give
SVG with nothing but the standard library: so a gate can compare every byte, and the colours follow the reader's light or dark theme.
420 units wide, to be readable on a phone."""
import csv, math, os, statistics, sys

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
WIDTH = 420
STYLE = """<style>
text{font:12px system-ui,sans-serif;fill:#24292f}
.t{font-weight:600;font-size:13px}.s{fill:#57606a;font-size:11px}.e{text-anchor:end}.m{text-anchor:middle}
.grid{stroke:#d0d7de}.own{fill:#0a6cc4}.peer{fill:#9aa4ae}.line{stroke:#0a6cc4;fill:none}.b{font-weight:600}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9da7b3}.grid{stroke:#3d444d}.own{fill:#4ea1f3}.peer{fill:#6e7681}.line{stroke:#4ea1f3}}
</style>"""


def rows(name):
    with open(os.path.join(HERE, name)) as f:
        return list(csv.DictReader(line for line in f if not line.startswith("#")))


def escaped(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;")


def text(x, y, what, kind=""):
    return '<text x="%g" y="%g"%s>%s</text>' % (x, y, ' class="%s"' % kind if kind else "", escaped(what))


def picture(height, title, parts):
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">\n<title>%s</title>\n%s\n%s\n</svg>\n'
            % (WIDTH, height, WIDTH, height, escaped(title), STYLE, "\n".join(parts)))


def bars(title, note, groups, shown):
    """groups: (name, [(label, value, is ours)]). Each group has a scale of its own: its longest bar is 1."""
    left, span, y, parts = 152, 192, 44, [text(8, 18, title, "t"), text(8, 34, note, "s")]
    for name, entries in groups:
        if name:
            y += 18
            parts.append(text(8, y, name, "b"))
        largest = max(v for _, v, _ in entries)
        for label, value, own in entries:
            y += 17
            width = max(1, value / largest * span)
            parts.append(text(left - 6, y, label, "e b" if own else "e"))
            parts.append('<rect x="%d" y="%d" width="%.1f" height="12" rx="2" class="%s"/>' % (left, y - 10, width, "own" if own else "peer"))
            parts.append(text(left + width + 5, y, shown(value), "b" if own else ""))
        y += 6
    return picture(y + 12, title, parts)


def amount(n):
    return "%.1f MB" % (n / 1e6) if n >= 1e6 else "%.0f KB" % (n / 1e3) if n >= 1e4 else "%.1f KB" % (n / 1e3)


def ratio(v):
    return "%.0f" % v if v >= 20 else "%.1f" % v if v >= 10 else "%.2f" % v


# >>charts
NAMES = {"p05-libcrypto": "libcrypto, x86-64, 4.7 MB", "p06-esbuild": "esbuild (Go), 11.4 MB", "p08-sqljs-wasm": "SQLite, WebAssembly, 0.7 MB",
         "p15-echarts-min-js": "ECharts, JavaScript, 1.1 MB"}


def update():
    groups = {}
    for r in rows("update.csv"):
        groups.setdefault(NAMES[r["what"]], []).append((r["tool"], int(r["update_bytes"]), r["tool"] == "dxup"))
    return bars("Bytes that an update takes", "on the wire, both ways; restic, casync: what the store grows by", list(groups.items()), amount)


def tool_name(r):
    return (r["tool"] + " " + r["options"].replace("--patch-from", "")).strip()


def speed():
    """Size of the patch, across, and speed of applying it, upwards; both axes logarithmic."""
    points = []
    for r in rows("patch_cpu.csv"):
        points.append((tool_name(r), int(r["patch_bytes"]), int(r["new_bytes"]) / float(r["apply_s"]) / 1e6, r["tool"] == "dxpatch"))
    left, right, top, bottom = 44, 404, 60, 270
    xs, ys = (50e3, 5e6), (50, 600)
    across = lambda v: left + (right - left) * math.log(v / xs[0]) / math.log(xs[1] / xs[0])
    up = lambda v: bottom - (bottom - top) * math.log(v / ys[0]) / math.log(ys[1] / ys[0])
    parts = [text(8, 18, "Size of a patch and speed of applying it", "t"),
             text(8, 34, "libcrypto, 4.7 MB; MB of the new file for a processor second", "s"),
             text(8, 49, "upper left is best", "s")]
    for v in (100e3, 1e6):
        parts.append('<path class="grid" d="M%.1f %dV%d"/>' % (across(v), top, bottom) + text(across(v), bottom + 15, amount(v).replace(".0", ""), "s m"))
    for v in (50, 100, 200, 400):
        parts.append('<path class="grid" d="M%d %.1fH%d"/>' % (left, up(v), right) + text(left - 5, up(v) + 4, v, "s e"))
    parts.append(text((left + right) / 2, bottom + 30, "bytes of the patch", "s m"))
    levels = sorted(p for p in points if p[3] and (p[0] == "dxpatch" or p[0][-2:-1] == "-"))
    for name, x, y, own in points:
        parts.append('<circle cx="%.1f" cy="%.1f" r="%g" class="%s"/>' % (across(x), up(y), 4 if own else 4, "own" if own else "peer"))
        if (name, x, y, own) in levels:
            continue
        end = across(x) > 290
        parts.append(text(across(x) + (-7 if end else 7), up(y) + 4, name, ("e " if end else "") + ("b" if own else "")))
    middle = [p for p in levels if p[0] == "dxpatch"][0]
    fast = [p for p in levels if p[0] == "dxpatch -1"][0]
    parts.append(text(across(fast[1]) + 8, up(fast[2]) + 14, "dxpatch -1", "b"))
    parts.append(text(across(middle[1]) + 8, min(up(p[2]) for p in levels) - 9, "dxpatch -3 to -9", "b"))
    return picture(bottom + 38, "Patch size against apply speed", parts)


def patches():
    best, own = {}, {}
    for r in rows("patch.csv"):
        if r["how"] != "process" or not r["patch_bytes"]:
            continue
        name = tool_name(r)
        if name == "dxpatch":
            own[r["pair"]] = int(r["patch_bytes"])
        elif name in ("bsdiff", "xdelta3 -9", "zstd -19"):
            best[r["pair"]] = min(best.get(r["pair"], 1 << 62), int(r["patch_bytes"]))
    entries = sorted(((p[4:], own[p] / best[p], own[p] <= best[p]) for p in own if p in best), key=lambda e: e[1])
    return bars("Size of a patch, of the smallest other", "bsdiff, xdelta3 -9, zstd -19 --patch-from; grey: one of these is smaller", [("", entries)], ratio)


def reactor():
    groups = []
    labels = {"dx_uring": "dx, io_uring", "dx_epoll": "dx, epoll", "raw_uring": "by hand, io_uring", "raw_epoll": "by hand, epoll", "libuv": "libuv",
              "libuv_documented": "libuv, documented", "libevent_buffer": "libevent buffers", "libevent": "libevent", "libev": "libev"}
    measured = {}
    for r in rows("reactor.csv"):
        if r["what"] == "echo" and r["per_second"] not in ("", "nan"):
            measured.setdefault((r["connections"] + "x" + r["depth"], r["server"]), []).append(float(r["per_second"]))
    for cell, name in (("64x1", "64 connections, 1 request in flight"), ("64x16", "64 connections, 16 in flight")):
        entries = [(labels.get(s, s), statistics.median(v) / 1e6, s.startswith("dx")) for (c, s), v in measured.items() if c == cell]
        groups.append((name, sorted(entries, key=lambda e: -e[1])))
    return bars("Echo: million requests a second, one core", "medians of all rounds; longer is better", groups, ratio)


def protocol():
    t = {(r["subject"], r["case"]): float(r["median_ns"]) for r in rows("hbtp.csv")}
    entries = [("dx_hbtp", t["dx", "session dispatch"], True), ("picohttpparser", t["picohttpparser", "GET 28"], False),
               ("wslay", t["wslay", "event 24"], False), ("hiredis", t["hiredis", "SET 24"], False), ("nghttp2", t["nghttp2", "recv 8 fields"], False)]
    return bars("Protocol: nanoseconds for a small message", "parsed, checked, dispatched; 24 bytes, nghttp2: 8 fields", [("", entries)], ratio)


def bulk():
    groups = {}
    for r in rows("bulk_wan.csv"):
        label = "TCP" if r["how"] == "plain" else "bulk, %s connection%s" % (r["connections"], "" if r["connections"] == "1" else "s")
        groups.setdefault("%s %% loss, %s" % (r["loss_percent"], r["congestion"]), []).append((label, float(r["mbytes_s"]), r["how"] != "plain"))
    return bars("Bulk transfer: MB a second", "200 Mbit/s, 100 ms round trip, emulated; longer is better", list(groups.items()), ratio)


def store():
    t = {(r["subject"], r["case"]): float(r["median_ns"]) for r in rows("cas.csv")}
    groups = []
    for case, title in (("put 1024 B durable: p50 (and p99) of 600", "put 1 KiB, durable"), ("put 1024 B durable 64 in a commit", "put 1 KiB, 64 in a commit"),):
        entries = [(s.replace(" (one sync)", ""), ns / 1e3, s.startswith("dx_cas")) for (s, c), ns in t.items() if c == case and s in
                   ("dx_cas (one sync)", "SQLite (WAL)", "RocksDB", "LMDB")]
        groups.append((title, sorted(entries, key=lambda e: e[1])))
    return bars("Store: microseconds for a durable put", "medians; shorter is better", groups, ratio)


def trees():
    groups = []
    data = [r for r in rows("trees.csv")]
    corpus = data[0]["corpus"]
    for step, title, field, scale in (("ingest", "first ingest, seconds", "wall_s", 1), ("changed", "1 % changed: MB added", "added_bytes", 1e6), ("verify", "verify, seconds", "wall_s", 1)):
        entries = [(r["tool"], float(r[field]) / scale, r["tool"] == "dxup") for r in data
                   if r["corpus"] == corpus and r["step"] == step and r["tool"] in ("dxup", "restic", "borg", "casync", "git") and float(r[field] or 0) > 0]
        if entries:
            groups.append((title, sorted(entries, key=lambda e: e[1])))
    return bars("Trees of files", "684 files, 120 MB; shorter is better", groups, ratio)


def cache():
    groups = []
    for r in rows("cache.csv"):
        if r["entries"] == "1000":
            groups.append((r["load"], [("p50", float(r["p50"]), True), ("p99", float(r["p99"]), True), ("p99.9", float(r["p99.9"]), True)]))
    return bars("Cache: nanoseconds for a get", "1,000 entries of 1 KiB; invalidations from the same or another thread", groups, lambda v: "%.0f" % v)


def database():
    names = {"dxdb-hbtp": "dxdb, HBTP", "dxdb-http": "dxdb, HTTP", "redis-benchmark": "Redis, own client", "redis": "Redis", "h2o": "h2o, a file", "nginx": "nginx, a file"}
    gets = [r for r in rows("dxdb.csv") if r["what"] == "get" and r["connections"] == "8"]
    groups = []
    for depth, load, field, scale, title in (("1", "full", "per_s", 1e3, "1 request in flight: thousand a second"), ("16", "full", "per_s", 1e3, "16 in flight: thousand a second"),
                                             ("1", "full", "p999_us", 1, "p99.9 of these with 1 in flight, microseconds")):
        entries = [(names.get(r["peer"], r["peer"]), float(r[field]) / scale, r["peer"].startswith("dxdb")) for r in gets if r["depth"] == depth and r["load"] == load and r[field]]
        groups.append((title, sorted(entries, key=lambda e: e[1] if field == "p999_us" else -e[1])))
    return bars("A row of a database, from memory or not", "8 connections; the server on one core, its clients on another", groups, ratio)


def records():
    t = {(r["subject"], r["case"]): float(r["median_ns"]) for r in rows("teleport.csv") if r["median_ns"]}
    groups = []
    for case, title in (("order encode", "write"), ("order open+read", "check and read all")):
        entries = [(s, v / 1e3, s == "dx_teleport") for (s, c), v in t.items() if c == case and s != "memcpy"]
        groups.append((title, sorted(entries, key=lambda e: e[1])))
    return bars("Records: microseconds for an order of 22 strings", "medians; shorter is better", groups, ratio)


def page():
    names = {"dx": "dx_page, by hand", "compiled": "dx_page, compiled", "vanilla": "vanillajs by hand", "solid": "Solid", "svelte": "Svelte", "preact": "Preact", "react": "React"}
    found = {r["operation"]: r for r in rows("www.csv")}

    def entries(operation, scale=1):
        return sorted(((names[n], float(found[operation][n]) / scale, n in ("dx", "compiled")) for n in names if found[operation].get(n)), key=lambda e: e[1])
    groups = [("geometric mean of nine operations, vanillajs is 1", entries("geometric mean of vanilla")), ("create 1,000 rows, ms", entries("create 1000 ms")),
              ("update every 10th row, ms", entries("update every 10th ms")), ("memory after 10,000 rows, MB", entries("bytes after 10000 rows", 1e6))]
    return bars("Rows of a table in Chromium", "processor time of the page's main thread; shorter is better", groups, ratio)


def wan():
    """Four panels, one for each round trip: share of the link upwards, loss across."""
    lines = [("dxwan", "dxwan-cubic-0", "line own2"), ("1 stream, BBR", "stream-bbr-1", "other"), ("1 stream, cubic", "stream-cubic-1", "other d1"), ("rsync, cubic", "rsync-cubic-1", "other d2")]
    losses = ["0", "0.1", "1", "2"]
    found = {("-".join((r["tool"], r["congestion"], r["connections"])), r["rtt_ms"], r["loss_percent"]): float(r["share"]) for r in rows("wan.csv") if r["mbit_s"] == "100"}
    parts = ["<style>.other{stroke:#6e7781;fill:none}.own2{stroke-width:2.5}.d1{stroke-dasharray:5 3}.d2{stroke-dasharray:1.5 3}</style>",
             text(8, 18, "Share of a link of 100 Mbit/s", "t"), text(8, 34, "by random loss (across, %) and round trip; a file, its start and end included", "s")]
    for i, (name, _, kind) in enumerate(lines):
        x, y = 8 + i % 2 * 200, 52 + i // 2 * 17
        parts.append('<path class="%s" d="M%d %dh34"/>' % (kind, x, y - 4) + text(x + 42, y, name, "b" if i == 0 else ""))
    for i, rtt in enumerate(["10", "50", "150", "300"]):
        left, top = 34 + i % 2 * 200, 106 + i // 2 * 150
        across, up = lambda loss: left + 10 + losses.index(loss) * 48, lambda share: top + 100 - share * 100
        parts.append(text(left, top - 8, rtt + " ms", "b"))
        for share in (0, 0.5, 1):
            parts.append('<path class="grid" d="M%d %gH%d"/>' % (left, up(share), left + 164) + text(left - 5, up(share) + 4, "%g" % share, "s e"))
        parts += [text(across(loss), top + 115, loss, "s m") for loss in losses]
        for _, tool, kind in reversed(lines):
            points = [(across(loss), up(found[tool, rtt, loss])) for loss in losses if (tool, rtt, loss) in found]
            if points:
                parts.append('<polyline class="%s" points="%s"/>' % (kind, " ".join("%.1f,%.1f" % p for p in points)))
    return picture(384, "Share of the link by round trip and loss", parts)


CHARTS = {"www": page, "update": update, "speed": speed, "patch": patches, "reactor": reactor, "protocol": protocol, "bulk": bulk, "wan": wan, "records": records, "store": store, "trees": trees, "cache": cache, "dxdb": database}
if __name__ == "__main__":
    for name, make in CHARTS.items():
        path, made = os.path.join(HERE, name + ".svg"), make()
        if sys.argv[1:] != ["--check"]:
            open(path, "w").write(made)
        elif not os.path.exists(path) or open(path).read() != made:
            print("bench/results/%s.svg is not what the CSV files give: make bench" % name)
