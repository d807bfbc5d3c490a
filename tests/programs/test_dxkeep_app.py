#!/usr/bin/env python3
"""dxkeep daemon|capture --app with real programs, which dxkeep did not start and cannot stop. While they write, versions are captured;
then every version is restored: one that is called consistent must pass the program's own check, have all rows acknowledged before its
capture began, none out of order and no part of a transaction. The program, dxkeep and what stands between both end or hang at the worst moments.
usage: test_dxkeep_app.py [FILTER...]
       DX_CAPTURES=n (of each program; default 12) DX_TEST_SEED=n DX_KEEP_FAILED=folder
       The long proof: DX_CAPTURES=120 tests/programs/test_dxkeep_app.py"""
import collections, json, os, random, shutil, signal, socket, sqlite3, subprocess, sys, threading, time

import test_dxkeep as kit
from test_dxkeep import DXKEEP, PATIENCE, Skip, keep, latest, said, start, stop, versions, wait_for
from test_dxkeep_real import check_notes, note

CAPTURES = int(os.environ.get("DX_CAPTURES", "12"))


def capture(*more, status=0, app="sqlite", **how):
    """One capture. Returns what it says, as JSON, and its messages."""
    done = subprocess.run([DXKEEP, "capture", "store", "data", "--json", "--app", app, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE, **how)
    err = done.stderr.decode(errors="replace")
    assert done.returncode == status, "status %d instead of %d:\n%s" % (done.returncode, status, err)
    return (json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}), err


# ---- SQLite
def make_databases(modes):
    """a in the first journal mode, b in the second, c ... They do not look like databases by their names."""
    os.makedirs("data/deep/er", exist_ok=True)
    names = ["data/a", "data/deep/b.txt", "data/deep/er/c.db"][:len(modes)]
    for name, mode in zip(names, modes):
        db = sqlite3.connect(name, isolation_level=None)
        assert db.execute("pragma journal_mode=%s" % mode).fetchone()[0] == mode
        db.execute("pragma page_size=1024")
        db.execute("create table t(id integer primary key, note text)")
        db.execute("create index n on t(note)")
        db.close()
    return names


# Each transaction has up to 7 rows, and is made in one database after the other: none may be ahead of the one before.
WRITER = """
import hashlib, os, random, sqlite3, sys, time
dice, pause, names = random.Random(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
dbs = []
for name in names:
    db = sqlite3.connect(name, isolation_level=None, timeout=60)
    db.execute("pragma synchronous=off")
    db.execute("pragma wal_autocheckpoint=%d" % dice.choice([1, 20, 1000]))
    if db.execute("pragma journal_mode").fetchone()[0] == "delete":
        db.execute("pragma journal_mode=%s" % dice.choice(["delete", "persist", "truncate"]))
    db.execute("pragma cache_size=10")
    dbs.append(db)
record = os.open("record", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
at = min(db.execute("select coalesce(max(id), 0) from t").fetchone()[0] for db in dbs)
while True:
    first, at = at + 1, at + dice.randrange(1, 8)
    for k, db in enumerate(dbs):
        db.execute("begin immediate")
        for row in range(first, at + 1):
            db.execute("insert or replace into t values(?, ?)", (row, hashlib.sha256(b"%d" % row).hexdigest() * (1 + row % 20)))
        db.execute("commit")
        os.write(record, b"%d %d %d\\n" % (k, at, time.monotonic_ns()))
        if dice.randrange(40) == 0:
            db.execute("pragma wal_checkpoint(%s)" % dice.choice(["passive", "full", "truncate"])).fetchall()
        if dice.randrange(200) == 0:
            db.execute("vacuum")
    time.sleep(pause)
"""


def a_writer(dice, names, pause=0.01):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(dice.random()), str(pause), *names], stdin=subprocess.DEVNULL)


def end(process):
    process.kill()
    process.wait()


def acknowledged(count, until_ns):
    rows = [0] * count
    for line in open("record").read().split("\n")[:-1] if os.path.exists("record") else []:
        k, row, at = map(int, line.split())
        if at < until_ns:
            rows[k] = max(rows[k], row)
    return rows


def rows_of(place, names):
    counts = []
    for name in names:
        path = place + name[len("data"):]
        assert not os.path.exists(path + "-shm")
        db = sqlite3.connect(path)
        try:
            assert db.execute("pragma integrity_check").fetchall() == [("ok",)], "%s is not sound" % name
            counts.append(check_notes(db.execute("select id, note from t order by id").fetchall()))
        except sqlite3.DatabaseError as e:
            raise AssertionError("%s: %s" % (name, e)) from None
        finally:
            db.close()
    return counts


def check_version(number, names, least):
    shutil.rmtree("back", ignore_errors=True)
    keep("restore", "store", str(number), "back", "--quiet")
    rows = rows_of("back", names)
    assert all(a >= b for a, b in zip(rows, rows[1:])), "version %d is of several moments: %r" % (number, rows)
    assert max(rows) - min(rows) <= 7, "version %d is of several moments: %r" % (number, rows)
    assert all(a >= b for a, b in zip(rows, least)), "version %d lacks rows: %r of %r that were acknowledged" % (number, rows, least)
    return rows


def sqlite_under_load(dice):
    """Databases with each kind of journal, and pairs. What is consistent is of one moment across all of them."""
    totals = collections.Counter()
    every = [["wal"], ["delete"], ["wal", "delete"], ["delete", "wal"], ["wal", "wal", "delete"]]
    for modes in every:
        for left in ("data", "store", "record"):
            shutil.rmtree(left, ignore_errors=True) if left != "record" else os.path.exists(left) and os.unlink(left)
        names = make_databases(modes)
        writer = a_writer(dice, names)
        taken = []
        try:
            wait_for("rows", lambda: min(acknowledged(len(names), 1 << 62)) > 20)
            for _ in range(max(3, CAPTURES // len(every))):
                least = acknowledged(len(names), time.monotonic_ns())
                out, err = capture("--app-max-s", "30")
                assert out["consistent"] and not err, (out, err)
                taken.append((out["version"], least))
                assert writer.poll() is None, "the writer has failed"
        finally:
            end(writer)
        before = 0
        for number, least in taken:
            rows = check_version(number, names, least)
            assert rows[0] >= before
            before = rows[0]
            totals["captures of " + "+".join(modes)] += 1
            totals["rows"] += sum(rows)
    print("     " + ", ".join("%d %s" % (n, what) for what, n in totals.items()), flush=True)


def sqlite_under_a_daemon(dice):
    """Captures follow the changes; the writer is killed and started again meanwhile. When nothing changes any more, no version is added."""
    names = make_databases(["wal", "delete"])
    process = start("--app", "sqlite", "--app-max-s", "30", "--quiet-ms", "20", "--hold-ms", "100")
    writer = a_writer(dice, names, 0.005)
    try:
        until = time.monotonic() + PATIENCE
        while latest() < CAPTURES and time.monotonic() < until:
            time.sleep(dice.random())
            end(writer)
            time.sleep(dice.choice([0, 0.2]))
            writer = a_writer(dice, names, 0.005)
        end(writer)
        for name in names:
            db = sqlite3.connect(name)
            db.execute("select count(*) from t").fetchall()
            db.close()
        # A capture that is due waits for ten times what the last one took.
        added, count, quiet = -1, 0, time.monotonic()
        while time.monotonic() < quiet + 6:
            if latest() != count:
                added, count, quiet = added + 1, latest(), time.monotonic()
            assert added <= 2, "versions are added, and nothing has changed: %d" % count
            time.sleep(0.2)
        stop(process)
    finally:
        end(writer)
        end(process)
    found = versions()
    good = [v for v in found if v["consistent"]]
    for v in found:
        if v["consistent"]:
            check_version(v["version"], names, [0, 0])
    print("     %d of %d versions are consistent" % (len(good), len(found)), flush=True)
    # On a busy machine the queue of notifications overflows under a writer this fast, which is said.
    assert all(v["consistent"] or "events-lost" in v["torn_reasons"] for v in found) and 2 * len(good) > len(found), found
    assert check_version(found[0]["version"], names, [0, 0]) == [sqlite3.connect(name).execute("select count(*) from t").fetchone()[0] for name in names]


def kit_socket():
    """Where dxkeep_between.c asks."""
    asked = socket.socket(socket.AF_UNIX)
    asked.bind("ask")
    asked.listen(8)
    return asked


def sqlite_between_any_two_reads(dice):
    """The writer commits to both databases and makes a checkpoint before each single call by which dxkeep opens or reads a file, if the
    locks let it. Captures are consistent, and of one moment."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("between.so", "tests/programs/dxkeep_between.c")
    names = make_databases(["wal", "delete"])
    asked = kit_socket()
    counts, at = collections.Counter(), 0
    dbs = [sqlite3.connect(name, isolation_level=None, timeout=0, check_same_thread=False) for name in names]
    for db in dbs:
        db.execute("pragma synchronous=off")

    def act():
        nonlocal at
        for db in dbs:
            try:
                db.execute("begin immediate")
                db.execute("insert into t values(?, ?)", (at + 1, note(at + 1)))
                db.execute("commit")
            except sqlite3.IntegrityError:
                db.execute("rollback")  # it is there, and in the other database not yet
            except sqlite3.OperationalError:
                if db.in_transaction:
                    db.execute("rollback")
                counts["refused"] += 1
                return
            try:
                db.execute("pragma wal_checkpoint(%s)" % dice.choice(["passive", "truncate"])).fetchall()
            except sqlite3.OperationalError:
                counts["checkpoints refused"] += 1
        at += 1
        counts["committed"] += 1

    def serve():
        while True:
            question = asked.accept()[0]
            if question.recv(1) == b"q":
                return
            act()
            question.send(b"x")
            question.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    taken = []  # each row is a commit, and the databases stay small
    for _ in range(CAPTURES):
        least = at
        out, err = capture("--app-max-s", "30", env={**kit.preloaded(shim), "DX_ASK": os.path.abspath("ask")})
        assert out["consistent"], (out, err)
        taken.append((out["version"], least))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("ask")
        s.send(b"q")
    server.join(PATIENCE)
    for number, least in taken:
        rows = check_version(number, names, [least] * 2)
        assert rows[0] - rows[1] in (0, 1)
    print("     %d captures; %s" % (len(taken), ", ".join("%d %s" % (n, what) for what, n in counts.items())), flush=True)
    assert counts["committed"] > len(taken) and counts["refused"] > len(taken)


def sqlite_that_cannot_be_locked(dice):
    """Busy, damaged, read-only, none at all: torn, within the time limit, with the name of the database; others are not held longer."""
    names = make_databases(["wal", "delete"])
    held = sqlite3.connect(names[1], isolation_level=None)

    def fails(text, path):
        began = time.monotonic()
        out, err = capture("--app-max-s", "1")
        assert time.monotonic() - began < 4, "it waited too long"
        assert not out["consistent"] and out["torn_reasons"] == ["app-failed"], out
        assert text in err and (not path or "data/" + path in err), err
        assert versions(1)[0]["torn_files"] == ([path] if path else []), versions(1)
        for name in names:
            if name != "data/" + path:
                db = sqlite3.connect(name, timeout=0, isolation_level=None)
                db.execute("begin immediate")
                db.execute("insert into t values((select coalesce(max(id), 0) + 1 from t), '')")
                db.execute("commit")
                db.close()

    held.execute("begin exclusive")
    fails("database is locked", "deep/b.txt")
    kit.said_by_all("app-failed", "the data of --app could not be held still")
    held.execute("rollback")
    held.close()
    held = sqlite3.connect(names[0], isolation_level=None)
    held.execute("begin immediate")
    fails("database is locked", "a")
    held.execute("rollback")
    held.close()
    whole = open(names[1], "rb").read()
    with open(names[1], "wb") as f:
        f.write(whole[:20] + b"\xff" * 100 + whole[120:])
    fails("file is not a database", "deep/b.txt")
    with open(names[1], "wb") as f:
        f.write(whole)
    out, err = capture()
    assert out["consistent"] and not err, (out, err)
    if os.geteuid():
        os.chmod(names[1], 0o444)
        fails("readonly", "deep/b.txt")
        os.chmod(names[1], 0o644)
    out, err = capture("--exclude", "b.txt", "--exclude", "/a")
    assert not out["consistent"] and "there is no SQLite database in it" in err, (out, err)
    held = sqlite3.connect(names[1], isolation_level=None)
    held.execute("begin exclusive")
    assert capture("--exclude", "b.txt")[0]["consistent"], "a database that is left out was locked"
    held.close()


def sqlite_locks_that_end(dice):
    """The process with the locks is killed, a database is made or replaced, dxkeep is killed during a capture: never consistent, and
    never a lock that stays."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("between.so", "tests/programs/dxkeep_between.c")
    names = make_databases(["wal"])
    spare = names[0]
    keeper = sqlite3.connect(spare, isolation_level=None)  # so that the database is in use
    keeper.execute("insert into t values(1, ?)", (note(1),))
    asked = kit_socket()
    for what in ("kill the holder", "make", "replace", "kill dxkeep"):
        with open("data/more", "wb") as f:  # something to read during the hold
            f.write(dice.randbytes(100))
        keeper.execute("insert into t values((select max(id) + 1 from t), 'x')")
        process = subprocess.Popen([DXKEEP, "capture", "store", "data", "--app", "sqlite", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**kit.preloaded(shim), "DX_ASK": os.path.abspath("ask")})
        done = False

        def is_locked():
            try:
                keeper.execute("begin immediate")
                keeper.execute("rollback")
                return False
            except sqlite3.OperationalError:
                return True

        keeper.execute("pragma busy_timeout=0")
        asked.settimeout(0.05)
        while process.poll() is None:
            try:
                question = asked.accept()[0]
            except TimeoutError:
                continue
            question.recv(1)
            below = kit_children(process.pid)
            # Its second search is the first after which all is locked.
            if not done and below and is_locked():
                done = True
                if what == "kill the holder":
                    os.kill(below[0], signal.SIGKILL)
                elif what == "make":
                    shutil.copy(spare, "data/another")
                elif what == "replace":
                    shutil.copy(spare, "new")
                    os.rename("new", spare)
                else:
                    process.kill()
                    process.wait()
                    break
            question.send(b"x")
            question.close()
        out = process.communicate()
        assert done, "nothing was done"
        if what == "kill dxkeep":
            wait_for("the end of the locks", lambda: not is_locked())
        else:
            found = json.loads(out[0].splitlines()[-1])
            assert not found["consistent"] and found["torn_reasons"] == ["app-failed"], (what, found, out[1])
        if what == "make":
            os.unlink("data/another")
        if what == "replace":
            keeper.close()
            for suffix in ("-wal", "-shm"):
                if os.path.exists(spare + suffix):
                    os.unlink(spare + suffix)
            keeper = sqlite3.connect(spare, isolation_level=None)
        keeper.execute("insert into t values((select max(id) + 1 from t), 'x')")  # equal content stays torn
        assert capture()[0]["consistent"], "after: " + what
    keeper.close()


def kit_children(pid):
    return [int(p) for p in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]


def sqlite_of_a_crash(dice):
    """The writer was killed in a transaction: its journal is rolled back, or its WAL has no commit; both versions are sound."""
    for mode in ("delete", "wal"):
        shutil.rmtree("data", ignore_errors=True)
        names = make_databases([mode])
        text = ("import sqlite3, os, signal, hashlib\ndb = sqlite3.connect('data/a', isolation_level=None)\ndb.execute('pragma cache_size=1')\n"
                "def add(n): db.execute('insert into t values(?, ?)', (n, hashlib.sha256(b'%d' % n).hexdigest() * (1 + n % 20)))\n"
                "db.execute('begin')\n[add(n) for n in range(1, 101)]\ndb.execute('commit')\n"
                "db.execute('begin')\n[add(n) for n in range(101, 2000)]\nos.kill(os.getpid(), signal.SIGKILL)")
        subprocess.run([sys.executable, "-c", text], check=False)
        assert os.path.exists("data/a-journal" if mode == "delete" else "data/a-wal")
        assert os.path.getsize("data/a") > 100000 or mode == "wal"
        out, err = capture()
        assert out["consistent"] and not err, (out, err)
        assert check_version(out["version"], names, [100]) == [100]
        again, _ = capture()
        assert again["unchanged"], "the capture has changed something"


def what_app_refuses(dice):
    os.makedirs("data")
    assert "there is only" in keep("capture", "store", "data", "--app", "mysql", status=1)
    assert "one of them" in keep("daemon", "store", "data", "--app", "sqlite", "--freeze-pid", str(os.getpid()), status=1)
    assert "run has no option --app" in keep("run", "store", "data", "--app", "sqlite", "--", "true", status=1)
    assert not os.path.exists("store")


CASES = [sqlite_under_load, sqlite_under_a_daemon, sqlite_between_any_two_reads, sqlite_that_cannot_be_locked, sqlite_locks_that_end, sqlite_of_a_crash,
         what_app_refuses]

if __name__ == "__main__":
    sys.exit(kit.main(CASES, "test_dxkeep_app"))
