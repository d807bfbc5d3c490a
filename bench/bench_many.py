"""Processor time of an update of a tree of many small files: dxup pull and its server, compared with rsync -a over
a pipe.

usage: bench_many.py [FILES] [--dxup PROGRAM] [--work DIRECTORY] [--rounds N]

Makes FILES (50,000) files of 1 to 20 KB in FILES / 25 directories, then a second version in which 1 % have changed and
0.4 % are moved. Each round pulls the first version, waits until no time stamp is recent, and measures the update
to the second. dxup's server runs as a process of its own; of rsync both sides are children, so one number is both.
Prints a row of CSV a round. The destination is compared with the source in the end of each.
"""
import argparse
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

SEED = 38
RECENT_S = 2.5  # dxup does not trust a time stamp that is newer than two seconds


def make_words(r):
    letters = b"abcdefghijklmnopqrstuvwxyz"
    return [bytes(r.choice(letters) for _ in range(r.randint(2, 9))) for _ in range(4000)]


def make_content(r, words, size):
    """Text whose words are as unevenly frequent as those of source code, with some numbers that nothing predicts."""
    out = []
    have = 0
    while have < size:
        word = b"%x" % r.getrandbits(64) if r.random() < 0.02 else words[min(int(r.expovariate(1 / 400)), 3999)]
        out.append(word)
        have += len(word) + 1
    return b" ".join(out)[:size]


def make_old(top, count):
    r = random.Random(SEED)
    words = make_words(r)
    folders = ["."]
    while len(folders) < max(1, count // 25):
        parent = r.choice(folders)
        if parent.count("/") < 6:
            folders.append("%s/%s%d" % (parent, r.choice(words).decode(), len(folders)))
    for folder in folders:
        os.makedirs(os.path.join(top, folder), exist_ok=True)
    for i in range(count):
        name = "%s%d.%s" % (r.choice(words).decode(), i, r.choice(["js", "d.ts", "json", "map", "md"]))
        path = os.path.join(top, r.choice(folders), name)
        with open(path, "wb") as f:
            f.write(make_content(r, words, int(min(20000, max(1000, r.lognormvariate(8.3, 0.8))))))
        then = 1700000000 + r.randrange(10**7)
        os.utime(path, (then, then))


def make_new(old, new):
    r = random.Random(SEED + 1)
    subprocess.check_call(["cp", "-a", old, new])
    files = sorted(os.path.join(d, f) for d, _, names in os.walk(new) for f in names)
    folders = sorted(d for d, _, _ in os.walk(new))
    for path in r.sample(files, max(1, len(files) // 100)):
        with open(path, "rb") as f:
            data = f.read()
        at = r.randrange(len(data))
        with open(path, "wb") as f:
            f.write(data[:at] + b"changed %x" % r.getrandbits(64) + data[at + r.randrange(30):])
    for path in r.sample(files, max(1, len(files) // 250)):
        away = os.path.join(r.choice(folders), "moved-" + os.path.basename(path))
        os.rename(path, path + ".moved" if r.random() < 0.5 else away)


def used_of_children():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime, use.ru_stime


def used_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def run(command):
    """User and system seconds of a command and its children, and the wall time."""
    before, begin = used_of_children(), time.monotonic()
    subprocess.check_call(command, stdout=subprocess.DEVNULL)
    after = used_of_children()
    return after[0] - before[0], after[1] - before[1], time.monotonic() - begin


def check_same(a, b):
    if subprocess.call(["diff", "-r", "--no-dereference", a, b], stdout=subprocess.DEVNULL):
        sys.exit("DIFFERS: %s is not %s after the update" % (b, a))


def row(tool, side, user, system, wall):
    print("%s,%s,%.2f,%.2f,%.2f,%.2f" % (tool, side, user, system, user + system, wall), flush=True)


def measure_dxup(dxup, work):
    out, store = os.path.join(work, "out"), os.path.join(work, "store")
    server = subprocess.Popen([dxup, "serve", store, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE)
    try:
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline().decode()).group()
        subprocess.check_call([dxup, "pull", address, "t@1", out], stdout=subprocess.DEVNULL)
        time.sleep(RECENT_S)
        before = used_of(server.pid)
        user, system, wall = run([dxup, "pull", address, "t", out])
        after = used_of(server.pid)
    finally:
        server.terminate()
        server.wait()
    row("dxup", "client", user, system, wall)
    row("dxup", "server", after[0] - before[0], after[1] - before[1], wall)
    check_same(os.path.join(work, "new"), out)
    shutil.rmtree(out)


def measure_rsync(work):
    out, shell = os.path.join(work, "out"), os.path.join(work, "shell")
    with open(shell, "w") as f:
        f.write('#!/bin/sh\nshift\nexec "$@"\n')  # in place of ssh: the other side is a process here
    os.chmod(shell, 0o755)
    subprocess.check_call(["cp", "-a", os.path.join(work, "old"), out])
    time.sleep(RECENT_S)
    row("rsync", "both", *run(["rsync", "-a", "--delete", "-e", shell, "x:" + os.path.join(work, "new") + "/", out + "/"]))
    check_same(os.path.join(work, "new"), out)
    shutil.rmtree(out)


def main():
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="?", type=int, default=50000)
    parser.add_argument("--dxup", default=os.path.join(top, "build", "dxup"))
    parser.add_argument("--work", help="a new directory is made in it and removed; default: that of temporary files")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    work = tempfile.mkdtemp(dir=options.work)
    try:
        make_old(os.path.join(work, "old"), options.files)
        make_new(os.path.join(work, "old"), os.path.join(work, "new"))
        for version in ("old", "new"):
            subprocess.check_call([options.dxup, "publish", os.path.join(work, "store"), "t", os.path.join(work, version)],
                                  stdout=subprocess.DEVNULL)
        print("tool,side,user_s,system_s,processor_s,wall_s")
        for _ in range(options.rounds):
            measure_dxup(options.dxup, work)
            if shutil.which("rsync"):
                measure_rsync(work)
    finally:
        shutil.rmtree(work)


main()
