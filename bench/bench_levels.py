#!/usr/bin/env python3
"""The table LEVELS in the head of dx_patch.h, from what bench_levels.sh measured.
usage: bench_levels.py CSV             prints it
       bench_levels.py CSV HEADER      prints what differs from the table in HEADER"""
import csv, math, sys

ROWS = [("1, 2", 1), ("3..5", 4), ("6", 6), ("7", 7), ("8", 8), ("9", 9)] # with the level whose figures stand for them
TRIED = {"range": {7: "range 6", 8: "range 6, 8", 9: "range 6, 9"},
         "all": {7: "streams 6, 7", 8: "both 6, 8", 9: "both 6, 9"}}

rows = list(csv.DictReader(line for line in open(sys.argv[1]) if not line.startswith("#")))
value = {(r["pair"], r["codings"], int(r["level"])): r for r in rows}
pairs = list(dict.fromkeys(r["pair"] for r in rows))
largest = max(rows, key=lambda r: int(r["new_bytes"]))


def mean(codings, level, field):
    """Geometric mean over the pairs, beside level 6 of the same codings."""
    of = lambda pair, l: float(value[pair, codings, l][field])
    return math.exp(sum(math.log(of(p, level) / of(p, 6)) for p in pairs) / len(pairs))


def megabytes(n):
    n = int(n) / 1e6
    return "%.0f" % n if n >= 20 else "%.1f" % n if n >= 0.95 else "%.2f" % n


def half(codings, level):
    tried = TRIED[codings].get(level, "range" if codings == "range" else "streams")
    memory = megabytes(value[largest["pair"], codings, level]["apply_memory"])
    return "%-12s %5.2f %4.1f %5.1f %6s" % (tried, mean(codings, level, "patch_bytes"), mean(codings, level, "create_s"),
                                           mean(codings, level, "apply_s"), memory)


def create_memory(codings):
    return megabytes(value[largest["pair"], codings, 6]["create_memory"])


def table():
    yield "    LEVELS      of a delta, beside level 6 of the same codings: size of the patch, time to make and"
    yield "                to apply it (geometric means of %d pairs, bench/results/levels.csv); MB of memory to" % len(pairs)
    yield "                apply that of a %s MB library. To make it takes %s MB at every level, with streams" % (megabytes(largest["new_bytes"]), create_memory("range"))
    yield "                %s MB. \"6, 9\": made at both levels, and the smaller one is kept" % create_memory("all")
    yield "              codings 0, the default                  STREAMS and RANGE, as dxpatch"
    yield "              made         size make apply memory    made         size make apply memory"
    for label, level in ROWS:
        yield "        %-5s %s    %s" % (label, half("range", level), half("all", level))


made = list(table())
if len(sys.argv) < 3:
    print("\n".join(made))
else:
    said = [line.rstrip("\n") for line in open(sys.argv[2])]
    at = next((i for i, line in enumerate(said) if line.startswith("    LEVELS ")), None)
    if at is None:
        print("%s has no LEVELS" % sys.argv[2])
    else:
        for is_, says in zip(made, said[at:]):
            if is_ != says:
                print("the table says  %s\nthe figures are %s" % (says.strip(), is_.strip()))
