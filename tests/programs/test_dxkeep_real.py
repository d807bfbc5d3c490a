#!/usr/bin/env python3
"""dxkeep with real programs: PostgreSQL under pgbench, Redis with its append-only file, SQLite with its log, the logs of nginx.
The program, dxkeep or both are killed at random moments, and sometimes the directory is lost, too. Then every version is restored:
one that is called consistent must pass the program's own check, and have all rows acknowledged before its time, and none that was
begun later. Kills come in rounds of ten, each with a directory and a store of its own: otherwise a version would have more rows than
can be checked for each of them.
usage: test_dxkeep_real.py [FILTER...]
       DX_KILLS=n (of each program; default 3) DX_TEST_SEED=n DX_PAUSE_MS=n (default 2000)
       DX_SECONDS=n (no more kills of a program after this time; default 15, with more than 3 kills no limit)
       DX_VERSIONS=n (of a round check this many, the last and a sample of the others; 0: all; default 8, with more than 3 kills all)
       DX_KEEP_FAILED=folder
       The long proof, which restores every version: DX_KILLS=500 tests/programs/test_dxkeep_real.py"""
import collections, ctypes, ctypes.util, glob, hashlib, os, pwd, random, re, shutil, signal, socket, sqlite3, subprocess, sys, threading, time

import test_dxkeep as kit
from test_dxkeep import PATIENCE, Skip, keep, latest, said, start, the_log, versions, wait_for

KILLS = int(os.environ.get("DX_KILLS", "3"))
PAUSE_MS = os.environ.get("DX_PAUSE_MS", "2000")
FEW = 3
SECONDS = float(os.environ.get("DX_SECONDS", "15" if KILLS <= FEW else "inf"))
VERSIONS = int(os.environ.get("DX_VERSIONS", "8" if KILLS <= FEW else "0"))
KILLS_A_ROUND = 10


def note(row):
    return hashlib.sha256(b"%d" % row).hexdigest() * (1 + row % 20)


def check_notes(rows):
    for at, (row, text) in enumerate(rows, 1):
        assert row == at and text == note(at), "row %d of %d is another: %r, %.40s" % (at, len(rows), row, text)
    return len(rows)


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=PATIENCE, **more)
    out = done.stdout.decode(errors="replace")
    assert done.returncode == 0, "status %d: %s\n%s" % (done.returncode, " ".join(command), out[-2000:])
    return out


class Client(threading.Thread):
    """Writes rows in transactions, and notes when each was begun and acknowledged. It connects again whenever the connection ends."""

    def __init__(self, program, dice):
        super().__init__(daemon=True)
        self.program, self.dice, self.record, self.asked, self.fault = program, dice, [], True, None

    def run(self):
        while self.asked:
            try:
                self.session()
            except (OSError, EOFError):
                time.sleep(0.02)
            except AssertionError as e:
                self.fault = e
                return

    def session(self):
        with self.program.connect() as connection:
            at = connection.rows()
            while self.asked:
                first, at = at + 1, at + self.dice.randrange(1, self.program.batch_max + 1)
                self.record.append(("begun", at, time.time_ns()))
                connection.add(first, at)
                self.record.append(("done", at, time.time_ns()))
                time.sleep(self.program.pause_s)


class Program:
    """One that writes to data, and whose client writes rows. Below: how to start it, and how to check a copy."""
    batch_max, pause_s, slack, user = 7, 0.002, 0, None

    def setup(self):
        os.makedirs("data")

    def as_user(self, *command):
        if self.user is None or os.geteuid():
            return list(command)
        return ["setpriv", "--reuid", str(self.user.pw_uid), "--regid", str(self.user.pw_gid), "--clear-groups", *command]

    def client(self, dice):
        client = Client(self, dice)
        client.start()
        return client

    def begin_load(self):
        pass

    def end_load(self):
        pass

    def disturb(self, dice):
        """Something that the program does now and then, between two kills."""


# ---- PostgreSQL
class Libpq:
    """A connection, through the library that belongs to the server's package."""
    library = None

    def __init__(self, text):
        if not Libpq.library:
            Libpq.library = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
            for name in ("PQconnectdb", "PQexec"):
                getattr(Libpq.library, name).restype = ctypes.c_void_p
            for name in ("PQgetvalue", "PQerrorMessage"):
                getattr(Libpq.library, name).restype = ctypes.c_char_p
        self.c = ctypes.c_void_p(self.library.PQconnectdb(text.encode()))
        if self.library.PQstatus(self.c):
            why = self.library.PQerrorMessage(self.c).decode()
            self.library.PQfinish(self.c)
            raise OSError(why)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.PQfinish(self.c)

    def sql(self, text):
        result = ctypes.c_void_p(self.library.PQexec(self.c, text.encode()))
        try:
            if self.library.PQresultStatus(result) not in (1, 2):  # done, or rows
                raise OSError(self.library.PQerrorMessage(self.c).decode())
            return [tuple(self.library.PQgetvalue(result, row, column).decode() for column in range(self.library.PQnfields(result)))
                    for row in range(self.library.PQntuples(result))]
        finally:
            self.library.PQclear(result)

    def rows(self):
        return int(self.sql("SELECT coalesce(max(id), 0) FROM t")[0][0])

    def add(self, first, last):
        self.sql("INSERT INTO t VALUES " + ",".join("(%d, '%s')" % (row, note(row)) for row in range(first, last + 1)))


class Postgres(Program):
    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
        if not found:
            raise Skip("PostgreSQL is not installed")
        self.bin = os.path.dirname(found[-1])
        if not os.path.exists(self.bin + "/pgbench") or not os.path.exists(self.bin + "/pg_amcheck"):
            raise Skip("pgbench or pg_amcheck is not installed")
        if not os.geteuid():
            try:
                self.user = pwd.getpwnam("postgres")
            except KeyError:
                raise Skip("PostgreSQL does not run as root, and there is no user postgres") from None
        self.load = None

    def server(self, place, sockets):
        return self.as_user(self.bin + "/postgres", "-D", place, "-k", os.path.abspath(sockets), "-c", "listen_addresses=", "-c", "shared_buffers=2MB",
                            "-c", "max_connections=20", "-c", "max_wal_size=2MB", "-c", "min_wal_size=2MB", "-c", "checkpoint_timeout=30s",
                            "-c", "checkpoint_completion_target=0.1", "-c", "bgwriter_delay=10ms", "-c", "autovacuum_naptime=1s", "-c", "log_min_messages=fatal")

    def where(self, sockets="sockets"):
        return "host=%s user=test dbname=postgres connect_timeout=10 options='-c client_min_messages=error'" % os.path.abspath(sockets)

    def connect(self):
        return Libpq(self.where())

    def setup(self):
        for folder in ("data", "sockets", "copy"):
            os.makedirs(folder, mode=0o700)
            if self.user:
                os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        run(*self.as_user(self.bin + "/initdb", "-D", "data", "-U", "test", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8", "--wal-segsize", "1"))
        server = subprocess.Popen(self.server("data", "sockets") + ["-F"], stderr=subprocess.DEVNULL)
        wait_for("PostgreSQL", lambda: self.answers("sockets"))
        with self.connect() as c:
            for text in ("CREATE TABLE t (id int PRIMARY KEY, note text)", "CREATE INDEX ON t (note)", "CREATE EXTENSION amcheck"):
                c.sql(text)
        run(self.bin + "/pgbench", "-h", os.path.abspath("sockets"), "-U", "test", "-i", "-s", "1", "-q", "postgres")
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE)

    def answers(self, sockets):
        try:
            with Libpq(self.where(sockets)):
                return True
        except OSError:
            return False

    def arguments(self):
        return ["--exclude", "/postmaster.pid"]

    def command(self):
        return self.server("data", "sockets")

    def begin_load(self):
        self.load = subprocess.Popen(["sh", "-c", 'while :; do "$@" || sleep 0.05; done', "sh", self.bin + "/pgbench", "-h", os.path.abspath("sockets"),
                                      "-U", "test", "-c", "2", "-T", "1000", "-n", "postgres"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def end_load(self):
        os.killpg(self.load.pid, signal.SIGKILL)
        self.load.wait()

    def disturb(self, dice):
        try:
            with self.connect() as c:
                c.sql(dice.choice(["CHECKPOINT", "VACUUM t", "VACUUM FULL pgbench_tellers", "REINDEX TABLE t", "SELECT pg_switch_wal()",
                                   "CREATE TABLE IF NOT EXISTS extra AS SELECT * FROM pgbench_branches", "DROP TABLE IF EXISTS extra"]))
        except OSError:
            pass  # it was killed

    def check(self, place):
        server = subprocess.Popen(self.server(place, "copy") + ["-F"], stderr=open("copy.log", "wb"))
        try:
            wait_for("a server that has recovered", lambda: server.poll() is not None or self.answers("copy"))
            assert server.poll() is None, "PostgreSQL does not start:\n" + open("copy.log", errors="replace").read()[-1500:]
            run(self.bin + "/pg_amcheck", "-h", os.path.abspath("copy"), "-U", "test", "--heapallindexed", "--parent-check", "postgres")
            with Libpq(self.where("copy")) as c:
                sums = c.sql("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), "
                             "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)")
                assert len(set(sums[0])) == 1, "parts of transactions of pgbench: %r" % sums
                return check_notes([(int(row), text) for row, text in c.sql("SELECT id, note FROM t ORDER BY id")])
        except OSError as e:
            raise AssertionError("PostgreSQL: %s" % e) from None
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(PATIENCE)


# ---- Redis
class Redis(Program):
    batch_max = 7

    class Connection:
        def __init__(self, path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(path)
            self.file = self.socket.makefile("rb")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()
            self.socket.close()

        def ask(self, *words):
            words = [str(word).encode() for word in words]
            self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            return self.answer()

        def answer(self):
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise EOFError
            kind, rest = line[:1], line[1:-2]
            if kind == b"-":
                raise OSError(rest.decode())
            if kind == b":":
                return int(rest)
            if kind == b"$":
                text = self.file.read(int(rest) + 2)[:-2]
                if len(text) < int(rest):
                    raise EOFError
                return text.decode()
            return [self.answer() for _ in range(int(rest))] if kind == b"*" else rest.decode()

        def rows(self):
            return self.ask("LLEN", "t")

        def add(self, first, last):
            self.ask("MULTI")
            for row in range(first, last + 1):
                self.ask("RPUSH", "t", note(row))
                self.ask("INCR", "count")
            self.ask("EXEC")

    def __init__(self):
        for name in ("redis-server", "redis-check-aof"):
            if not shutil.which(name):
                raise Skip("%s is not installed" % name)

    def server(self, place, path):
        return ["redis-server", "--port", "0", "--unixsocket", os.path.abspath(path), "--dir", os.path.abspath(place), "--appendonly", "yes", "--appendfsync",
                "always", "--save", "", "--auto-aof-rewrite-min-size", "100kb", "--auto-aof-rewrite-percentage", "30", "--loglevel", "warning", "--logfile", "/dev/null"]

    def arguments(self):
        return []

    def command(self):
        return self.server("data", "redis")

    def connect(self):
        return Redis.Connection("redis")

    def disturb(self, dice):
        try:
            with self.connect() as c:
                c.ask("BGREWRITEAOF")
        except (OSError, EOFError):
            pass

    def check(self, place):
        folder = place + "/appendonlydir"
        if not os.path.exists(folder):
            return 0  # before its first start
        # A start that was killed leaves an empty folder.
        if os.path.exists(folder + "/appendonly.aof.manifest"):
            run("redis-check-aof", folder + "/appendonly.aof.manifest")
        # A rewrite would be another process, which writes to the folder after this one has ended.
        server = subprocess.Popen([*self.server(place, "copy"), "--auto-aof-rewrite-percentage", "0"], stdout=open("copy.log", "wb"), stderr=subprocess.STDOUT)
        try:
            wait_for("Redis", lambda: server.poll() is not None or self.answers())
            assert server.poll() is None, "Redis does not start:\n" + open("copy.log", errors="replace").read()[-1500:]
            with Redis.Connection("copy") as c:
                rows = c.ask("LRANGE", "t", 0, -1)
                count = c.ask("INCR", "count") - 1
                assert count == len(rows), "part of a transaction: %d rows, and a count of %d" % (len(rows), count)
                return check_notes(list(enumerate(rows, 1)))
        finally:
            server.kill()
            server.wait()

    def answers(self):
        try:
            with Redis.Connection("copy") as c:
                return c.ask("PING") == "PONG"
        except (OSError, EOFError):
            return False


# ---- SQLite
SQLITE = """
import hashlib, os, sqlite3, random, time, signal
dice = random.Random()
db = sqlite3.connect("data/db", isolation_level=None, timeout=60)
db.execute("pragma journal_mode=wal"); db.execute("pragma synchronous=full"); db.execute("pragma wal_autocheckpoint=20")
db.execute("create table if not exists t(id integer primary key, note text)"); db.execute("create index if not exists n on t(note)")
record = os.open("record", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
at = (db.execute("select max(id) from t").fetchone()[0] or 0)
while True:
    db.execute("begin")
    for _ in range(dice.randrange(1, 8)):
        at += 1
        db.execute("insert into t values(?, ?)", (at, hashlib.sha256(b"%d" % at).hexdigest() * (1 + at % 20)))
    os.write(record, b"begun %d %d\\n" % (at, time.time_ns()))
    db.execute("commit")
    os.write(record, b"done %d %d\\n" % (at, time.time_ns()))
    time.sleep(0.002)
"""


class Sqlite(Program):
    """Its writer is the program, and notes its transactions itself."""

    class Notes:
        asked, fault = True, None

        @property
        def record(self):
            if not os.path.exists("record"):
                return []
            return [(kind, int(row), int(at)) for kind, row, at in (line.split() for line in open("record").read().split("\n")[:-1])]

        @record.setter
        def record(self, lines):
            with open("record", "w") as f:
                f.write("".join("%s %d %d\n" % line for line in lines))

        def join(self, seconds):
            pass

    def client(self, dice):
        return Sqlite.Notes()

    def arguments(self):
        return []

    def command(self):
        return ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, SQLITE]

    def check(self, place):
        if not os.path.exists(place + "/db"):
            return 0
        db = sqlite3.connect(place + "/db")
        try:
            assert db.execute("pragma integrity_check").fetchall() == [("ok",)], "it is not sound"
            if not db.execute("select 1 from sqlite_master where name = 't'").fetchall():
                return 0
            return check_notes(db.execute("select id, note from t order by id").fetchall())
        except sqlite3.DatabaseError as e:
            raise AssertionError("SQLite: %s" % e) from None
        finally:
            db.close()


# ---- nginx
class Nginx(Program):
    """The rows are the lines of its log, which is rotated. nginx logs a request after its reply and before it reads the next one."""
    batch_max, slack = 1, 1
    rotation = threading.Lock()  # who counts the lines needs all of them

    class Connection(Redis.Connection):
        def __init__(self, path):
            super().__init__(path)
            self.first = None

        def rows(self):
            with Nginx.rotation:
                return len(Nginx.lines("data"))

        def add(self, first, last):
            self.socket.sendall(b"GET /%d/%s HTTP/1.1\r\nHost: a\r\n\r\n" % (first, note(first).encode()))
            line = self.file.readline()
            if not line.startswith(b"HTTP/1.1 204"):
                raise EOFError
            while line != b"\r\n":
                line = self.file.readline()
                if not line:
                    raise EOFError

    def __init__(self):
        self.program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if not self.program:
            raise Skip("nginx is not installed")
        self.rotated = 0

    def setup(self):
        os.makedirs("data/log")
        with open("data/nginx.conf", "w") as f:
            f.write("daemon off; worker_processes 2; pid %s/pid; error_log stderr crit;\n%s"
                    "events { worker_connections 64; }\n"
                    "http { log_format rows '$uri'; access_log %s/data/log/access rows; keepalive_requests 1000000000; client_body_temp_path %s/temp;\n"
                    "proxy_temp_path %s/temp; fastcgi_temp_path %s/temp; uwsgi_temp_path %s/temp; scgi_temp_path %s/temp;\n"
                    "large_client_header_buffers 4 16k;\n"
                    "server { listen unix:%s/socket; location / { return 204; } } }\n"
                    % (os.getcwd(), "" if os.geteuid() else "user root;\n", *[os.getcwd()] * 7))

    @staticmethod
    def lines(place):
        names = os.listdir(place + "/log")
        rotated = sorted((name for name in names if name != "access"), key=lambda name: int(name.split(".")[1]))
        return [line for name in rotated + ["access"] * ("access" in names) for line in open(place + "/log/" + name).read().split("\n")[:-1]]

    def arguments(self):
        return []

    def command(self):
        return [self.program, "-c", os.getcwd() + "/data/nginx.conf", "-e", "stderr"]

    def connect(self):
        return Nginx.Connection("socket")

    def before_start(self):
        if os.path.exists("socket"):
            os.unlink("socket")  # nginx that was killed leaves it, and does not replace it

    def disturb(self, dice):
        with Nginx.rotation:
            self.rotate()

    def rotate(self):
        try:
            pid = int(open("pid").read())
            self.rotated = max([self.rotated] + [int(name.split(".")[1]) for name in os.listdir("data/log") if "." in name]) + 1
            os.rename("data/log/access", "data/log/access.%d" % self.rotated)
            os.kill(pid, signal.SIGUSR1)
        except (OSError, ValueError):
            return

    def check(self, place):
        os.makedirs("data/log", exist_ok=True)  # the configuration names it, and the directory may just have been lost
        run(self.program, "-t", "-c", os.path.abspath(place) + "/nginx.conf", "-e", "stderr")
        for name in os.listdir(place + "/log"):
            text = open(place + "/log/" + name).read()
            assert not text or text.endswith("\n"), "%s ends with part of a line" % name
        return check_notes([(int(number), text) for _, number, text in (line.split("/") for line in Nginx.lines(place))])


# ---- the series
def descendants(pid):
    """All processes below one."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(open("/proc/%s/stat" % name).read().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            pass
    found, more = [], [pid]
    while more:
        one = more.pop()
        below = [child for child, parent in parents.items() if parent == one]
        found += below
        more += below
    return found


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def end_of(pids):
    """The rest of the program ends by itself, or the next start could meet it."""
    wait_for("the end of the program", lambda: not any(kit.state_of(pid) for pid in pids))


def killed_once(program, process, dice):
    """Kills the program, dxkeep or both, and waits for the end of all. Returns what was killed."""
    below = descendants(process.pid)
    main = [pid for pid in below if kit.parent_of(pid) != process.pid]  # the guard is dxkeep's only child
    what = dice.choice(["program", "dxkeep", "both"])
    if what == "program":
        for pid in main:
            kill(pid)
        process.wait(PATIENCE)
    elif what == "dxkeep":
        process.kill()
        process.wait()
    else:
        process.send_signal(signal.SIGSTOP)
        for pid in descendants(process.pid):
            if pid in main or pid not in below:
                kill(pid)
        process.kill()
        process.wait()
    end_of(below)
    return what


class Series:
    """A round: kills, then the check of its versions."""

    def __init__(self, program, dice):
        self.program, self.dice, self.counts, self.bad, self.stops = program, dice, collections.Counter(), [], []
        self.histories = []  # (up to which version, the client's record then)

    def turn(self, client):
        how = {}
        if hasattr(self.program, "before_start"):
            self.program.before_start()
        process = start("--pause-max-ms", PAUSE_MS, *self.program.arguments(), command="run", program=("--", *self.program.command()), **how)
        first = latest()
        count = self.dice.randrange(1, 4)
        try:
            self.program.begin_load()
            end, until = time.monotonic() + PATIENCE / 3, self.dice.random()
            while time.monotonic() < end and process.poll() is None and latest() < first + count:
                time.sleep(0.1 + self.dice.random() * 0.3)
                if self.dice.randrange(3) == 0:
                    self.program.disturb(self.dice)
            time.sleep(until)
            assert process.poll() is None, "dxkeep has ended with %d:\n%s" % (process.returncode, the_log())
            what = killed_once(self.program, process, self.dice)
        finally:
            self.program.end_load()
            kill(process.pid)
            process.wait()
        self.counts["kills of " + what] += 1
        assert not client.fault, client.fault

    def lose(self, client):
        """The directory is lost: the next run restores the latest version, and the client goes on after its last row."""
        last = versions(1)[0]
        if not last["consistent"]:
            return
        keep("restore", "store", "latest", "back", "--force", "--quiet")
        rows = self.program.check("back")
        self.histories.append((last["version"], list(client.record)))
        client.record = [line for line in client.record if line[1] <= rows]
        shutil.rmtree("data")
        self.counts["losses of the directory"] += 1

    def check_rows(self, version, rows, record):
        least = max([row for kind, row, at in record if kind == "done" and at < version["time_ns"]], default=0) - self.program.slack
        most = max([row for kind, row, at in record if kind == "begun" and at < version["time_ns"]], default=0)
        assert rows >= least, "it has %d rows, and %d were acknowledged before its time" % (rows, least)
        assert rows <= most, "it has %d rows, and %d were begun by its time" % (rows, most)
        assert not rows or any(row == rows for _, row, _ in record), "it has part of a transaction: %d rows" % rows

    def check(self, record):
        """Restores the versions. Those that are called consistent, and are not, go to bad."""
        self.histories.append((float("inf"), record))
        every = sorted(versions(), key=lambda v: v["version"])
        if VERSIONS and len(every) > VERSIONS:
            every = sorted(self.dice.sample(every[:-1], VERSIONS - 1), key=lambda v: v["version"]) + every[-1:]
        for version in every:
            number = version["version"]
            shutil.rmtree("back", ignore_errors=True)
            keep("restore", "store", str(number), "back", "--quiet")
            own = next(lines for upto, lines in self.histories if number <= upto)
            kind = "consistent" if version["consistent"] else "torn"
            self.counts[kind] += 1
            try:
                rows = self.program.check("back")
                if version["consistent"]:
                    self.check_rows(version, rows, own)
                self.counts["rows"] += rows
            except (AssertionError, ValueError) as e:
                self.counts["unsound, " + kind] += 1
                if version["consistent"]:
                    self.bad.append("version %d: %s" % (number, e))
        self.stops = [float(x) for x in re.findall(r"stopped for ([0-9.]+) ms", open("log", errors="replace").read())]
        if self.bad and os.environ.get("DX_KEEP_FAILED"):
            shutil.copytree(".", os.path.join(os.environ["DX_KEEP_FAILED"], "-".join(os.getcwd().split("/")[-2:])), dirs_exist_ok=True, symlinks=True,
                            ignore=lambda _, names: [n for n in names if n in ("socket", "sockets", "redis", "copy")])


def a_round(program, dice, kills, end):
    program.setup()
    client = program.client(random.Random(dice.random()))
    s = Series(program, dice)
    try:
        for turn in range(kills):
            if time.monotonic() > end:
                break
            s.turn(client)
            if turn % 3 == 1:
                # Without a client: it must not write while its record is cut.
                client.asked = False
                client.join(PATIENCE)
                record = client.record
                s.lose(client)
                kept, client = client.record, program.client(random.Random(dice.random()))
                if record:
                    client.record[:0] = kept
    finally:
        client.asked = False
        client.join(PATIENCE)
    s.check(client.record)
    return s


def series(make, dice):
    total, bad, stops, place = collections.Counter(), [], [], os.getcwd()
    end = time.monotonic() + SECONDS
    for at in range(0, KILLS, KILLS_A_ROUND):
        if time.monotonic() > end:
            break
        folder = os.path.join(place, str(at))
        os.mkdir(folder)
        os.chdir(folder)
        s = a_round(make(), dice, min(KILLS_A_ROUND, KILLS - at), end)
        bad += ["kills from %d on, %s" % (at, text) for text in s.bad]
        total, stops = total + s.counts, sorted(stops + s.stops)
        print("     %s; %s consistent versions are not; stopped for %s to %s ms"
              % (", ".join("%d %s" % (count, what) for what, count in sorted(total.items())), len(bad) or "no",
                 stops[len(stops) // 2] if stops else "-", stops[-1] if stops else "-"), flush=True)
        os.chdir(place)
        last = the_log_of(folder)
        shutil.rmtree(folder)
    assert not bad, "%d versions that are called consistent are not:\n%s" % (len(bad), "\n".join(bad)[:3000])
    assert total["consistent"] > 1 and total["rows"], "%r:\n%s" % (total, last)


def the_log_of(folder):
    return open(folder + "/log", errors="replace").read()[-2000:]


def a_postgres_under_pgbench(dice):
    series(Postgres, dice)


def a_redis_with_its_log(dice):
    series(Redis, dice)


def a_sqlite_with_its_log(dice):
    series(Sqlite, dice)


def logs_of_nginx(dice):
    series(Nginx, dice)


if __name__ == "__main__":
    sys.exit(kit.main([a_postgres_under_pgbench, a_redis_with_its_log, a_sqlite_with_its_log, logs_of_nginx], "test_dxkeep_real"))
