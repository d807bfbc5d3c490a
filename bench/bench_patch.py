#!/usr/bin/env python3
"""Tables of what bench_patch.sh measured; charts.py draws it.
usage: bench_patch.py CSV MARKDOWN"""
import csv, math, sys

# HDiffPatch with lzma2: no package has it; sizes of one run of its release, exact and repeatable.
HDIFF = {"p02-seabios": 27236, "p03-ath9k-fw": 20786, "p04-busybox": 664136, "p05-libcrypto": 188514, "p06-esbuild": 424078,
         "p07-swc": 10018149, "p08-sqljs-wasm": 35748, "p09-sqlite": 176237, "p10-typescript-tar": 585, "p13-ckpt": 1269919}
CODE = ["p02", "p03", "p04", "p05", "p06", "p08"]
PEERS = ["bsdiff", "xdelta3 -9", "zstd -19 --patch-from", "HDiffPatch lzma2"]

rows = list(csv.DictReader(open(sys.argv[1])))
pairs, value = {}, {}
for r in rows:
    pairs.setdefault(r["pair"], int(r["new_bytes"]))
    name = (r["tool"] + " " + r["options"]).strip()
    value[r["pair"], name, r["how"]] = r
for pair in pairs:
    if pair in HDIFF:
        value[pair, "HDiffPatch lzma2", "process"] = {"patch_bytes": str(HDIFF[pair])}

def get(pair, name, field, how="process"):
    v = value.get((pair, name, how), {}).get(field, "")
    return float(v) if v else None

def tools(how, field):
    seen = []
    for (pair, name, h), r in value.items():
        if h == how and r.get(field) and name not in seen:
            seen.append(name)
    return seen

def best_peer(pair):
    sizes = [get(pair, t, "patch_bytes") for t in PEERS]
    return min((s for s in sizes if s), default=None)

def mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None

def table(title, columns, cell, first="new"):
    lines = ["", title, "", "| pair | %s | %s |" % (first, " | ".join(columns)), "|---" * (len(columns) + 2) + "|"]
    for pair, size in pairs.items():
        lines.append("| %s | %s | %s |" % (pair, format(size, ","), " | ".join(cell(pair, c) for c in columns)))
    return lines

def seconds(v):
    return "-" if v is None else "%.3g" % v

def sizes():
    names = tools("process", "patch_bytes")
    def cell(pair, name):
        if name == "of the best peer":
            ours, peer = get(pair, "dxpatch", "patch_bytes"), best_peer(pair)
            return "%.3f" % (ours / peer) if ours and peer else "-"
        v = get(pair, name, "patch_bytes")
        if v is None:
            return "-"
        least = min(get(pair, n, "patch_bytes") or math.inf for n in names)
        return ("**%s**" if v == least else "%s") % format(int(v), ",")
    return table("Patch, bytes (the smallest in bold; best peer: of bsdiff, xdelta3 -9, zstd -19, HDiffPatch):", names + ["of the best peer"], cell)

def summary():
    def ratio(pair, name="dxpatch", peer=best_peer):
        ours, other = get(pair, name, "patch_bytes"), peer(pair)
        return ours / other if ours and other else None
    out = ["", "Geometric means of sizes:", ""]
    code = [p for p in pairs if p[:3] in CODE]
    zstd = lambda name: lambda p: get(p, name, "patch_bytes")
    for text, ps, name, peer in [("the code pairs, of the best peer", code, "dxpatch", best_peer),
                                 ("the code pairs, of bsdiff", code, "dxpatch", zstd("bsdiff")),
                                 ("the code pairs, level 9, of the best peer", code, "dxpatch -9", best_peer),
                                 ("the code pairs, level 1, of zstd -3", code, "dxpatch -1", zstd("zstd -3 --patch-from")),
                                 ("all pairs, of the best peer", list(pairs), "dxpatch", best_peer)]:
        v = mean([ratio(p, name, peer) for p in ps])
        if v:
            out.append("- %s: %.3f" % (text, v))
    return out

lines = sizes() + summary()
names = tools("process", "create_s")
if names:
    def create(pair, name):
        v, kib = get(pair, name, "create_s"), get(pair, name, "create_peak_kib")
        return "-" if v is None else "%s / %d" % (seconds(v), kib / 1024)
    lines += table("Create, seconds / peak MiB, whole process:", names, create)
names = tools("process", "apply_s")
if names:
    lines += table("Apply, seconds, whole process (hyperfine, median):", names, lambda p, n: seconds(get(p, n, "apply_s")))
def bspatch_over(pair, name):
    ours, theirs = get(pair, name, "apply_s"), get(pair, "bsdiff", "apply_s")
    return "-" if not ours or not theirs else "%.2f" % (theirs / ours)
names = [n for n in tools("process", "apply_s") if n.startswith("dxpatch")]
if names and any(get(p, "bsdiff", "apply_s") for p in pairs):
    lines += table("How many times as fast as bspatch (whole processes):", names, bspatch_over)
def create_over(pair, name):
    ours, theirs = get(pair, "dxpatch", "create_s"), get(pair, name, "create_s")
    return "-" if not ours or not theirs else "%.2f" % (theirs / ours)
names = [n for n in tools("process", "create_s") if not n.startswith("dxpatch")]
if names:
    lines += table("Creating: how many times as long as dxpatch others take:", names, create_over)
names = tools("memory", "apply_s")
if names:
    lines += table("In memory: apply, GB/s of the new file:", names,
                   lambda p, n: "-" if not get(p, n, "apply_s", "memory") else "%.3g" % (pairs[p] / get(p, n, "apply_s", "memory") / 1e9))
text = "\n".join(lines).lstrip("\n") + "\n"
open(sys.argv[2], "w").write(text)
