#!/usr/bin/env python3
"""dxkeep daemon|capture --app with real programs, which dxkeep did not start and cannot stop. While they write, versions are captured;
then every version is restored: one that is called consistent must pass the program's own check, have all rows acknowledged before its
capture began, none out of order and no part of a transaction. The program, dxkeep and what stands between both end or hang at the worst moments.
usage: test_dxkeep_app.py [FILTER...]
       DX_CAPTURES=n (of each program; default 12) DX_TEST_SEED=n DX_KEEP_FAILED=folder
       The long proof: DX_CAPTURES=120 tests/programs/test_dxkeep_app.py"""
import contextlib, collections, json, os, random, shutil, signal, socket, sqlite3, subprocess, sys, threading, time

import test_dxkeep as kit
from test_dxkeep import DXKEEP, PATIENCE, Skip, keep, latest, said, start, stop, versions, wait_for
import test_dxkeep_real as real
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
    assert len(good) == len(found), found
    assert check_version(found[0]["version"], names, [0, 0]) == [sqlite3.connect(name).execute("select count(*) from t").fetchone()[0] for name in names]


def when_notifications_are_lost(dice):
    """The queue overflows before, during and after each capture. What --app reads does not depend on it: all versions are consistent, and other
    files come with the next one."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("faults.so", "tests/programs/dxkeep_faults.c")
    names = make_databases(["wal", "delete"])
    process = start("--app", "sqlite", "--app-max-s", "30", "--quiet-ms", "20", "--hold-ms", "100", env={**kit.preloaded(shim), "DX_FAULT": "events-always-lost"})
    writer = a_writer(dice, names, 0.005)
    try:
        wait_for("versions", lambda: latest() >= 5, process)
        with open("data/note", "w") as f:
            f.write("there")
        at = latest()
        wait_for("the note", lambda: latest() > at and "note" in keep("ls", "store", "latest"), process)
        stop(process)
    finally:
        end(writer)
        end(process)
    found = versions()
    assert all(v["consistent"] for v in found), found
    for v in found:
        check_version(v["version"], names, [0, 0])


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
            with contextlib.suppress(OSError):  # it was killed
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


def sqlite_locked_in_another_order(dice):
    """A program has locked one database, and waits for one that dxkeep has locked, while dxkeep waits for the first: its busy timeout is
    not used up, and the version is consistent. All journal modes, in use or not."""
    for modes in (["wal", "wal"], ["delete", "delete"], ["wal", "delete"], ["delete", "wal"]):
        for in_use in (False, True):
            shutil.rmtree("data", ignore_errors=True)
            first, second = make_databases(modes)
            user = sqlite3.connect(first, isolation_level=None, timeout=0)
            if in_use:
                user.execute("insert into t values(1, 'x')")
            program = sqlite3.connect(second, isolation_level=None, timeout=0)
            program.execute("begin immediate")
            program.execute("insert into t values(1, 'x')")
            process = subprocess.Popen([DXKEEP, "capture", "store", "data", "--app", "sqlite", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

            def is_locked():
                other = sqlite3.connect(first, isolation_level=None, timeout=0) if not in_use else user
                try:
                    other.execute("begin immediate")
                    other.execute("rollback")
                    return False
                except sqlite3.OperationalError:
                    return True
                finally:
                    if not in_use:
                        other.close()

            until = time.monotonic() + PATIENCE
            while not is_locked():
                assert time.monotonic() < until and process.poll() is None, "the first one was not locked"
            began = time.monotonic()
            program.execute("pragma busy_timeout=2000")
            program.execute("attach '%s' as other" % first)
            program.execute("insert into other.t values(2, 'x')")  # fails after 2 s
            waited = time.monotonic() - began
            program.execute("commit")
            out, err = process.communicate(timeout=PATIENCE)
            assert json.loads(out.splitlines()[-1])["consistent"] and not err, (modes, in_use, out, err)
            assert waited < 1, "the program waited for %.3f s" % waited
            keep("restore", "store", "latest", "back", "--force", "--quiet")
            for name in (first, second):
                db = sqlite3.connect(name.replace("data", "back", 1))
                assert db.execute("pragma integrity_check").fetchone()[0] == "ok" and db.execute("select count(*) from t").fetchone()[0] >= 1, name
                db.close()
            program.close()
            user.close()


def sqlite_locks_that_end(dice):
    """The process with the locks is killed or hangs, with its locks or before it has them, a database is made or replaced, dxkeep is killed
    during a capture: never consistent, and never a lock that stays."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("between.so", "tests/programs/dxkeep_between.c")
    names = make_databases(["wal"])
    spare = names[0]
    keeper = sqlite3.connect(spare, isolation_level=None)  # so that the database is in use
    keeper.execute("insert into t values(1, ?)", (note(1),))
    asked = kit_socket()
    for what in ("kill the holder", "stop the holder", "stop it before", "make", "replace", "kill dxkeep"):
        with open("data/more", "wb") as f:  # something to read during the hold
            f.write(dice.randbytes(100))
        keeper.execute("insert into t values((select max(id) + 1 from t), 'x')")
        began = time.monotonic()
        process = subprocess.Popen([DXKEEP, "capture", "store", "data", "--app", "sqlite", "--app-max-s", "2", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
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
            if not done and below and (what == "stop it before" or is_locked()):
                done = True
                if what == "kill the holder":
                    os.kill(below[0], signal.SIGKILL)
                elif what.startswith("stop"):
                    os.kill(below[0], signal.SIGSTOP)
                elif what == "make":
                    shutil.copy(spare, "data/another")
                elif what == "replace":
                    shutil.copy(spare, "new")
                    os.rename("new", spare)
                else:
                    process.kill()
                    process.wait()
                    break
            with contextlib.suppress(OSError):  # it was killed
                question.send(b"x")
            question.close()
        out = process.communicate()
        assert done, "nothing was done"
        if what == "kill dxkeep":
            wait_for("the end of the locks", lambda: not is_locked())
        else:
            assert time.monotonic() - began < 10 and not is_locked(), what
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


def sqlite_that_appears_in_a_file(dice):
    """A file that was looked at, and was none, becomes a database, with the same inode: it is locked from then on."""
    names = make_databases(["wal"])
    with open("data/later", "wb") as f:
        f.write(dice.randbytes(8192))
    time.sleep(2.1)  # what was just changed is looked at in any case
    process = start("--app", "sqlite", "--app-max-s", "1", "--quiet-ms", "1", "--hold-ms", "10")
    try:
        for _ in range(3):
            at = latest()
            with open("data/note", "a") as f:
                f.write("x")
            wait_for("a version", lambda: latest() > at, process)
            assert versions(1)[0]["consistent"], versions(1)
        inode = os.stat("data/later").st_ino
        db = sqlite3.connect("other")
        db.execute("create table t(x)")
        db.close()
        with open("data/later", "r+b") as f:
            f.write(open("other", "rb").read())
        assert os.stat("data/later").st_ino == inode
        held = sqlite3.connect("data/later", isolation_level=None)
        held.execute("begin exclusive")
        wait_for("a torn version", lambda: versions(1)[0]["torn_files"] == ["later"], process)
        held.execute("rollback")
        held.close()
        stop(process)
    finally:
        end(process)


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


# ---- Redis
class Redis(real.Redis):
    """A copy must be whole to the last byte: its server does not truncate what it loads."""

    def server(self, place, path):
        return super().server(place, path) + (["--aof-load-truncated", "no"] if place != "data" else [])

    def check(self, place):
        assert os.path.exists(place + "/appendonlydir/appendonly.aof.manifest"), "there is no manifest"
        left = [name for _, _, names in os.walk(place) for name in names if name.startswith("temp-")]
        assert not left, "temporary files in a version: %r" % left
        return super().check(place)

    def start(self):
        process = subprocess.Popen([*self.command(), "--logfile", ""], stdin=subprocess.DEVNULL, stdout=open("redis.log", "wb"), stderr=subprocess.STDOUT)
        wait_for("Redis", lambda: process.poll() is not None or self.is_up())
        assert process.poll() is None, "Redis has ended:\n" + open("redis.log", errors="replace").read()[-1500:]
        return process

    def is_up(self):
        try:
            with self.connect() as c:
                return c.ask("PING") == "PONG"
        except OSError:
            return False


class Disturber(threading.Thread):
    """Rewrites the AOF, one time after the other."""

    def __init__(self, program, dice):
        super().__init__(daemon=True)
        self.program, self.dice, self.asked, self.count = program, dice, True, 0

    def run(self):
        while self.asked:
            try:
                with self.program.connect() as c:
                    c.ask("BGREWRITEAOF")
                    self.count += 1
            except (OSError, EOFError):
                pass
            time.sleep(self.dice.random() * 0.2)

    def end(self):
        self.asked = False
        self.join(PATIENCE)


def rows_before(record, until_ns):
    return max([row for kind, row, at in record if kind == "done" and at < until_ns], default=0)


def check_redis(program, number, least, record):
    shutil.rmtree("back", ignore_errors=True)
    keep("restore", "store", str(number), "back", "--quiet")
    rows = program.check("back")
    assert rows >= least, "version %d has %d rows, and %d were acknowledged before its capture" % (number, rows, least)
    assert not rows or any(row == rows for _, row, _ in record), "version %d has part of a transaction: %d rows" % (number, rows)
    return rows


def redis_under_load(dice):
    """Transactions, rewrites all the time, and now and then kill -9 and a new start. All acknowledged writes are in each version, the rest is
    a prefix, redis-check-aof accepts it, and a server loads it that refuses a truncated file."""
    program = Redis()
    program.setup()
    server, client, disturber = program.start(), program.client(dice), Disturber(program, dice)
    disturber.start()
    taken = []
    try:
        wait_for("rows", lambda: rows_before(client.record, 1 << 62) > 50)
        for turn in range(CAPTURES):
            if turn % 4 == 3:
                end(server)
                server = program.start()
            least = rows_before(client.record, time.time_ns())
            out, err = capture("--app-max-s", "30", app="redis")
            assert out["consistent"] and not err, (out, err)
            taken.append((out["version"], least))
            assert not client.fault, client.fault
            time.sleep(dice.random() * 0.2)
    finally:
        client.asked = disturber.asked = False
        client.join(PATIENCE)
        disturber.end()
        end(server)
    assert disturber.count > len(taken) / 4, "too few rewrites: %d" % disturber.count
    rows = [check_redis(program, number, least, client.record) for number, least in taken]
    assert rows == sorted(rows)
    print("     %d captures, %d rewrites, %d rows" % (len(taken), disturber.count, rows[-1]), flush=True)


def redis_under_a_daemon(dice):
    """Captures follow the changes; the server is killed and started again meanwhile, and its file rewritten. Every version is consistent."""
    program = Redis()
    program.setup()
    server = program.start()
    client, disturber = program.client(dice), Disturber(program, dice)
    process = start("--app", "redis", "--app-max-s", "30", "--quiet-ms", "20", "--hold-ms", "100")
    disturber.start()
    try:
        until = time.monotonic() + PATIENCE
        while latest() < CAPTURES and time.monotonic() < until:
            time.sleep(dice.random())
            end(server)
            server = program.start()
        client.asked = disturber.asked = False
        client.join(PATIENCE)
        disturber.end()
        end(server)
        last = rows_before(client.record, 1 << 62)
        stop(process)
    finally:
        client.asked = disturber.asked = False
        end(server)
        end(process)
    found = versions()
    assert len(found) > CAPTURES and all(v["consistent"] for v in found), found
    rows = [check_redis(program, v["version"], rows_before(client.record, v["time_ns"]), client.record) for v in reversed(found)]
    assert rows == sorted(rows) and rows[-1] >= last, (rows, last)
    print("     %d versions, %d rewrites, %d rows" % (len(found), disturber.count, rows[-1]), flush=True)


def redis_between_any_two_reads(dice):
    """The server commits, and often rewrites, before each single call by which dxkeep opens or reads a file, and is killed and started again
    now and then. What is called consistent has all that was acknowledged, whole. If it rewrites before each call, captures are torn."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("between.so", "tests/programs/dxkeep_between.c")
    program = Redis()
    program.setup()
    server = program.start()
    asked = kit_socket()
    counts, state = collections.Counter(), {"at": 0, "rewrites": 0, "kills": 0}
    lines = [program.connect()]

    def act():
        nonlocal server
        counts["calls"] += 1
        lines[0].ask("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)  # only those below
        lines[0].add(state["at"] + 1, state["at"] + 3)
        state["at"] += 3
        counts["commits"] += 1
        if dice.random() < state["rewrites"]:
            lines[0].ask("BGREWRITEAOF")
            if state["rewrites"] == 1:
                wait_for("the rewrite", lambda: all(what + ":0" in lines[0].ask("INFO", "persistence")
                                                     for what in ("aof_rewrite_in_progress", "aof_rewrite_scheduled")))
            counts["rewrites"] += 1
        if state["kills"] and counts["calls"] % state["kills"] == 0:
            end(server)
            # What a write leaves that a power failure or a full disk cuts off. (Redis 7.0 does not undo a MULTI before part of a command.)
            grown = open("data/appendonlydir/appendonly.aof.manifest").read().split("\n")[-2].split(" ")[1]
            begin, push = b"*1\r\n$5\r\nMULTI\r\n", b"*3\r\n$5\r\nRPUSH\r\n$1\r\nt\r\n$300\r\n" + b"x" * 300 + b"\r\n"
            with open("data/appendonlydir/" + grown, "ab") as f:
                f.write(dice.choice([begin, begin + push, push[:dice.randrange(1, len(push))]]))
            server = program.start()
            lines[0] = program.connect()
            counts["kills"] += 1

    def serve():
        while True:
            question = asked.accept()[0]
            if question.recv(1) == b"q":
                return
            try:
                act()
            except (OSError, EOFError):
                counts["refused"] += 1
            with contextlib.suppress(OSError):  # it was killed
                question.send(b"x")
            question.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    env = {**kit.preloaded(shim), "DX_ASK": os.path.abspath("ask")}
    taken = []
    try:
        act()
        for state["rewrites"], state["kills"], count in ((0.02, 0, CAPTURES), (0, 41, CAPTURES // 2), (1, 0, 2)):
            for _ in range(count):
                least = state["at"]
                out, err = capture("--app-max-s", "2" if state["rewrites"] == 1 else "30", app="redis", env=env)
                if out["consistent"]:
                    taken.append((out["version"], least))
                    continue
                assert state["rewrites"] == 1 and "app-failed" in out["torn_reasons"], (out, err)
                assert "replaced during the capture" in err or "made during the capture" in err or "No such file" in err, err
                counts["torn"] += 1
    finally:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect("ask")
            s.send(b"q")
        thread.join(PATIENCE)
        end(server)
    for number, least in taken:
        rows = check_redis(program, number, least, [("begun", row, 0) for row in range(0, state["at"] + 4, 3)])
        counts["rows"] += rows
    print("     %d captures; %s" % (len(taken), ", ".join("%d %s" % (n, what) for what, n in counts.items())), flush=True)
    assert counts["rewrites"] > 4 and counts["kills"] and counts["torn"] and len(taken) >= CAPTURES, counts


MULTI, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def a_file(*, version):
    """The parts of an AOF whose ends are those of commands outside of transactions; Redis 7 with a manifest, or one file as of Redis 6."""
    rows = [command(b"RPUSH", b"t", note(row).encode()) for row in range(1, 6)]
    parts = [command(b"SELECT", b"0"), rows[0], MULTI + rows[1] + rows[2] + EXEC, b"#TS:1700000000\r\n" + rows[3], MULTI + rows[4] + EXEC]
    path = "data/appendonly.aof"
    os.makedirs("data/appendonlydir" if version == 7 else "data")
    if version == 7:
        path = "data/appendonlydir/appendonly.aof.2.incr.aof"
        with open("data/appendonlydir/appendonly.aof.manifest", "w") as f:
            f.write("file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n")
        with open("data/appendonlydir/appendonly.aof.1.incr.aof", "wb") as f:
            f.write(command(b"SET", b"first", b"1"))
    return path, parts


def a_preamble():
    """The bytes of a dump that begins a file of Redis 6."""
    server = Redis()
    os.makedirs("data", exist_ok=True)
    process = server.start()
    try:
        with server.connect() as c:
            c.ask("SET", "binary", "\u00ff" * 1000)
            c.ask("BGREWRITEAOF")
            wait_for("the rewrite", lambda: "aof_rewrite_in_progress:0" in c.ask("INFO", "persistence") and os.path.exists("data/appendonlydir/appendonly.aof.2.base.rdb"))
    finally:
        end(process)
    dump = open("data/appendonlydir/appendonly.aof.2.base.rdb", "rb").read()
    shutil.rmtree("data")
    assert dump.startswith(b"REDIS")
    return dump


def redis_of_a_crash(dice):
    """A file that ends anywhere: the version has its whole commands, outside of transactions, and nothing else is lost. A file of Redis 6 may begin
    with a dump."""
    dump = a_preamble()
    for version, preamble in ((7, b""), (6, b""), (6, dump)):
        shutil.rmtree("store", ignore_errors=True)
        path, parts = a_file(version=version)
        content = preamble + b"".join(parts)
        ends = [len(preamble) + sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
        least = len(preamble)
        sizes = sorted({least, len(content), *ends, *(dice.randrange(least, len(content)) for _ in range(3 * CAPTURES))})
        for size in sizes:
            with open(path, "wb") as f:
                f.write(content[:size])
            out, err = capture("--paranoid", app="redis")
            assert out["consistent"] and not err, (size, out, err)
            shutil.rmtree("back", ignore_errors=True)
            keep("restore", "store", "latest", "back", "--quiet")
            copy = "back" + path[len("data"):]
            found = open(copy, "rb").read()
            assert found == content[:max(end for end in ends if end <= size)], "%d bytes of %d" % (len(found), size)
            if found:
                real.run("redis-check-aof", os.path.dirname(copy) + "/appendonly.aof.manifest" if version == 7 else copy)
        shutil.rmtree("data")


def redis_and_the_cache(dice):
    """A capture without --app has all bytes of a file of which one with it has the first ones, whichever comes first, and whatever is cached."""
    path, parts = a_file(version=7)
    content = b"".join(parts)[:-3]
    with open(path, "wb") as f:
        f.write(content)
    time.sleep(2.1)  # a file that was just modified is not cached

    def has(size, app):
        keep("capture", "store", "data", "--quiet", *(["--app", "redis"] if app else []))
        assert keep("cat", "store", "latest", path[len("data/"):]) == content[:size].decode()

    for app in dice.choice([[True, False, True, True, False, False], [False, False, True, False, True]]):
        has(len(content) - len(parts[-1]) + 3 if app else len(content), app)


def redis_that_cannot_be_captured(dice):
    """Torn, with the name of the file, and consistent again afterwards: another end than a command's, no such file, left out, none at all, a dump
    without a checksum. A dump alone is consistent."""
    path, parts = a_file(version=7)
    content = b"".join(parts)
    incr = path[len("data/"):]

    def write(where, what):
        with open(where, "wb") as f:
            f.write(what)

    def fails(text, name, *more):
        began = time.monotonic()
        out, err = capture("--app-max-s", "1", *more, app="redis")
        assert time.monotonic() - began < 4, "it took too long"
        assert not out["consistent"] and out["torn_reasons"] == ["app-failed"] and text in err, (out, err)
        assert versions(1)[0]["torn_files"] == ([name] if name else []), versions(1)

    write(path, content + b"x" + content)
    fails("there is no command at byte", incr)
    write(path, content)
    fails("left out by --exclude", incr, "--exclude", "*.2.incr.aof")
    write("data/note", b"1")
    assert capture(app="redis")[0]["consistent"]
    os.unlink("data/appendonlydir/appendonly.aof.1.incr.aof")
    fails("No such file", "appendonlydir/appendonly.aof.1.incr.aof")
    manifest = open("data/appendonlydir/appendonly.aof.manifest", "rb").read()
    for bad in (b"file x seq", b"file ../x seq 1 type b\n", b"file x seq 1 type q\n", b"file \"x seq 1 type b\n"):
        write("data/appendonlydir/appendonly.aof.manifest", bad)
        fails("no manifest of Redis", "appendonlydir/appendonly.aof.manifest")
    os.rename("data/appendonlydir/appendonly.aof.2.incr.aof", "data/appendonlydir/a \xe9\" b")
    write("data/appendonlydir/appendonly.aof.manifest", b'file "a \\xc3\\xa9\\" b" seq 2 type i\n')
    assert capture(app="redis")[0]["consistent"], "a name in quotes"
    shutil.rmtree("data/appendonlydir")
    fails("there is no append-only file and no dump", "")
    write("data/dump.rdb", b"REDIS0010\xff" + bytes(8))
    write("data/temp-1.rdb", b"REDIS")
    out, err = capture(app="redis")
    assert out["consistent"] and "temp" not in keep("ls", "store", "latest"), (out, err)
    write("data/old.aof", b"REDIS0010\xff" + bytes(8) + content)
    fails("a dump whose end is not known", "old.aof")
    write("data/old.aof", manifest)
    fails("there is no command at byte 0", "old.aof")


def what_app_refuses(dice):
    os.makedirs("data")
    assert "there are sqlite, postgres and redis" in keep("capture", "store", "data", "--app", "mysql", status=1)
    assert "one of them" in keep("daemon", "store", "data", "--app", "sqlite", "--freeze-pid", str(os.getpid()), status=1)
    assert "run has no option --app" in keep("run", "store", "data", "--app", "sqlite", "--", "true", status=1)
    assert not os.path.exists("store")


def a_build_without_sqlite(dice):
    """It compiles without warnings, says why it refuses --app sqlite, and has --app redis."""
    done = subprocess.run(["make", "-n", "-W", "programs/dxkeep/app_sqlite.c", "build/dxkeep"], cwd=kit.top, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = done.stdout.decode().splitlines()
    compiled = [line for line in lines if " -c programs/dxkeep/app_sqlite.c " in line]
    linked = [line for line in lines if " -o build/dxkeep " in line]
    if len(compiled) != 1 or len(linked) != 1 or not os.path.exists(os.path.join(kit.top, "build/obj/programs/dxkeep/main.o")):
        raise Skip("build/dxkeep was not built here")
    here = os.getcwd()
    for line in (compiled[0].replace("-DDXKEEP_SQLITE", "-Werror").replace("-o build/obj/programs/dxkeep/app_sqlite.o", "-o %s/app_sqlite.o" % here),
                 linked[0].replace("build/obj/programs/dxkeep/app_sqlite.o", here + "/app_sqlite.o").replace("-lsqlite3", "")
                 .replace(" -o build/dxkeep ", " -o %s/without " % here)):
        done = subprocess.run(line, shell=True, cwd=kit.top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode()[-2000:]
    os.makedirs("data")
    for command in ("capture", "daemon"):
        done = subprocess.run(["./without", command, "store", "data", "--app", "sqlite"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 1 and b"--app sqlite: this dxkeep was built without libsqlite3" in done.stdout, done
    assert not os.path.exists("store")
    open("data/dump.rdb", "w").close()
    out = subprocess.run(["./without", "capture", "store", "data", "--app", "redis", "--json"], stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(out)["consistent"], out


CASES = [sqlite_under_load, sqlite_under_a_daemon, when_notifications_are_lost, sqlite_between_any_two_reads, sqlite_that_cannot_be_locked, sqlite_locked_in_another_order,
         sqlite_locks_that_end, sqlite_of_a_crash, sqlite_that_appears_in_a_file, redis_under_load, redis_under_a_daemon, redis_between_any_two_reads, redis_of_a_crash, redis_and_the_cache,
         redis_that_cannot_be_captured, what_app_refuses, a_build_without_sqlite]

if __name__ == "__main__":
    sys.exit(kit.main(CASES, "test_dxkeep_app"))
