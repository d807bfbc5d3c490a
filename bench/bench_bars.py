#!/usr/bin/env python3
"""What the figures of a bench say: a table of all of them, and one of the aims with their bars.
usage: bench_bars.py cas|trees FILE.csv       prints Markdown; adds lines "# aim,measured,bar,ok|missed" to the file"""
import sys

kind, path = sys.argv[1:]
lines = [l.rstrip("\n") for l in open(path) if not l.startswith("# aim")]
notes = [l[2:] for l in lines if l.startswith("#")]
rows = [l.split(",") for l in lines if l and not l.startswith("#")]
head, rows = rows[0], rows[1:]
aims = []


def aim(what, measured, op, bar):
    """measured None: a part of it was not measured, and the aim is left out"""
    if measured is not None:
        good = measured >= bar if op == ">=" else measured <= bar
        aims.append((what, "%.3g" % measured, "%s %g" % (op, bar), "ok" if good else "missed"))


def cas():
    t = {(r[0], r[1]): float(r[2]) for r in rows}
    get = lambda s, c: t.get((s, c))
    of = lambda s, o, c: get(o, c) / get(s, c) if get(s, c) and get(o, c) else None
    lib = "BLAKE3 C (LLVM 15)"
    for n in (64, 256, 1024, 4096, 16384):
        aim("hash %d B, speed of BLAKE3's library with assembly%s" % (n, "" if n > 1024 else " (AVX-512: 1.3)"), of("dx_cas", lib, "hash %d B" % n), ">=", 1.0)
    for n in (65536, 1 << 20, 16 << 20):
        aim("hash %d B, of the same" % n, of("dx_cas", lib, "hash %d B" % n), ">=", 0.95)
    for n, bar in ((64, 15), (1024, 5), (4096, 3.5)):
        aim("16 messages of %d B, of the same one by one%s" % (n, " (AVX-512: 10)" if n == 1024 else ""), of("dx_cas", lib, "hash 16 messages of %d B (each)" % n), ">=", bar)
    aim("chunker, of FastCDC-2020", of("dx_cas", "FastCDC-2020", "chunk 16 MiB (average 64 KiB)"), ">=", 1.3)
    v = get("dx_cas", "verified 16 KiB out of 64 MiB")
    aim("verified 16 KiB of a content, us", v and v / 1000, "<=", 5)
    c = "put 1024 B durable: p50 (and p99) of 600"
    own = "dx_cas (one sync)"
    aim("durable put 1 KB p50, time of overwrite and fdatasync", get(own, c) and get("overwrite and fdatasync", c) and get(own, c) / get("overwrite and fdatasync", c), "<=", 1.1)
    for peer, bar in (("SQLite (WAL)", 1.6), ("LMDB", 2.5), ("RocksDB", 1.7)):
        aim("durable put 1 KB p50, of " + peer, of(own, peer, c), ">=", bar)
    c = "put 1024 B durable 64 in a commit"
    for peer, bar in (("LMDB", 4), ("RocksDB", 1.3), ("SQLite (WAL)", 8)):
        aim("64 puts in a commit, of " + peer, of(own, peer, c), ">=", bar)
    aim("put 1 KB not durable, of LMDB", of("dx_cas (gathered)", "LMDB", "put 1024 B not durable"), ">=", 2.5)
    for how in ("hash checked", "mapped; hash checked"):
        v = get("dx_cas (%s)" % how, "get 1024 B warm")
        aim("get 1 KB warm, %s, us" % how, v and v / 1000, "<=", 2)


def trees():
    t = {(r[0], r[1], r[2]): [float(x) for x in r[3:]] for r in rows}
    for corpus in dict.fromkeys(r[0] for r in rows):
        def of(tool, step, own="dxup", column=0):
            a, b = t.get((corpus, own, step)), t.get((corpus, tool, step))
            return b[column] / a[column] if a and b and a[column] else None
        inverse = lambda x: None if not x else 1 / x
        for tool, bar in (("restic", 2), ("borg", 2.2), ("casync", 3)):
            aim("%s: first ingest, speed of %s" % (corpus, tool), of(tool, "ingest"), ">=", bar)
        aim("%s: stored bytes, of restic's" % corpus, inverse(of("restic", "ingest", column=3)), "<=", 0.85)
        aim("%s: the same again, time of git" % corpus, inverse(of("git", "again")), "<=", 1)
        own = t.get((corpus, "dxup", "changed"))
        aim("%s: 1 %% changed, s" % corpus, own and own[0], "<=", 0.3)
        aim("%s: 1 %% changed, MB added" % corpus, own and own[4] / 1e6, "<=", 1.2)
        aim("%s: verify, speed of restic check --read-data" % corpus, of("restic", "verify"), ">=", 3)
        aim("%s: restore with verification, time of cp -a" % corpus, inverse(of("cp", "restore")), "<=", 1.2 if corpus == "pubnm" else 1)
        aim("%s: stored bytes after gc --pack, of git gc's" % corpus, inverse(of("git", "gc", column=3)), "<=", 1.2)
        aim("%s: time of gc --pack, of git gc's" % corpus, inverse(of("git", "gc")), "<=", 1)
        own = t.get((corpus, "dxup", "ingest"))
        aim("%s: peak of ingest, MB (16 + index)" % corpus, own and own[2], "<=", 24)


{"cas": cas, "trees": trees}[kind]()
print("\n".join(notes) + "\n")
print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
for r in rows:
    print("| " + " | ".join(r) + " |")
print("\n| aim | measured | bar | |\n|---|---|---|---|")
for what, measured, bar, good in aims:
    print("| %s | %s | %s | %s |" % (what, measured, bar, "ok" if good == "ok" else "**missed**"))
with open(path, "w") as f:
    f.write("\n".join(lines + ["# aim,%s,%s,%s,%s" % a for a in aims]) + "\n")
