#!/usr/bin/env python3
"""dxdb against a real PostgreSQL, which is started here, unprivileged, on a socket of its own. How often a query ran is counted in
the database's log; records are read by tests/readers/read.py from what dxdb says of them.
A case that drives a requirement of caches (DT) or middleware (MW) has its number: dt_4_...
usage: test_dxdb.py [FILTER...]     runs the cases whose name contains one of the filters, and none that begin with '-'
       DXDB=path"""
import base64, collections, contextlib, fcntl, glob, hashlib, hmac, http.client, json, os, pty, pwd, random, re, select, selectors, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile, termios, threading, time, types, warnings
import urllib.parse, urllib.request

top = os.getcwd()
DXDB = os.path.abspath(os.environ.get("DXDB", "build/dxdb"))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(top, "examples/clients"), os.path.join(top, "tests/readers")]
import dx_hbtp
import patch as patches

PATIENCE = 60  # seconds
counts = {"passed": 0, "failed": 0, "skipped": 0}


class Skip(Exception):
    pass


def until(what, seconds=PATIENCE):
    """Wait for it to be true, and return it."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "it has not come in %d seconds" % seconds
        time.sleep(0.02)


# ---- the database
class Postgres:
    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
        if not found:
            raise Skip("PostgreSQL is not installed")
        self.bin = os.path.dirname(found[-1])
        self.place = tempfile.mkdtemp(prefix="dxdb")
        self.user = {}
        if os.getuid() == 0:
            who = pwd.getpwnam("postgres")
            self.user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            os.chown(self.place, who.pw_uid, who.pw_gid)
        os.chmod(self.place, 0o755)
        self.url = "host=%s user=test dbname=postgres" % self.place
        self.command("initdb", "-D", self.place + "/data", "-U", "test", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
        self.start()

    def command(self, name, *arguments):
        done = subprocess.run([os.path.join(self.bin, name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, cwd="/", **self.user)
        assert done.returncode == 0, "%s: %s" % (name, done.stderr.decode(errors="replace"))

    def start(self, more=""):
        options = "-k %s -c listen_addresses= -F -c shared_buffers=16MB -c max_connections=40 -c log_statement=all -c wal_level=logical %s" % (self.place, more)
        self.command("pg_ctl", "-D", self.place + "/data", "-w", "-l", self.place + "/log", "-o", options, "start")

    def stop(self, how="fast"):
        self.command("pg_ctl", "-D", self.place + "/data", "-w", "-m", how, "stop")

    def end(self):
        with contextlib.suppress(AssertionError):
            self.stop("immediate")
        shutil.rmtree(self.place, ignore_errors=True)

    def sql(self, text):
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", text], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode().strip()

    def fresh(self, text):
        """Remove everything of other cases, then run these statements."""
        self.sql("SET client_min_messages = warning; DROP SCHEMA IF EXISTS dxdb CASCADE; DROP SCHEMA public CASCADE; "
                 "DROP PUBLICATION IF EXISTS dxdb; CREATE SCHEMA public; " + text)

    def runs(self, mark):
        """How often dxdb executed a statement with this mark, according to the database's log."""
        with open(self.place + "/log", errors="replace") as log:
            return len(re.findall(r"execute q\d+: [^\n]*" + re.escape(mark), log.read()))


# ---- a network that can fail
class Cut(Exception):
    """The connection ends here: after these bytes, and this time."""


class Network:
    """Connections to a port of its own go to connect(). They can be stalled, and cut. ends: those to PostgreSQL have ends of writes
    changed."""

    def __init__(self, connect, ends=None):
        self.connect, self.flows, self.pairs, self.lock = connect, threading.Event(), set(), threading.Lock()
        self.ends = ends
        self.flows.set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = self.listener.getsockname()
        self.url = "host=%s port=%d user=test dbname=postgres sslmode=disable gssencmode=disable" % self.address  # of a database
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = self.connect()
            except OSError:
                near.close()
                continue
            pair = (near, far)
            with self.lock:
                self.pairs.add(pair)
            wire = Wire(self.ends) if self.ends else None
            for ends, change in ((pair, wire and wire.asks), (pair[::-1], wire and wire.tells)):
                threading.Thread(target=self.carry, args=(pair, *ends, change), daemon=True).start()

    def carry(self, pair, source, sink, change):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flows.wait()
                try:
                    sink.sendall(change(data) if change else data)
                except Cut as e:
                    sink.sendall(e.args[0])
                    time.sleep(e.args[1])
                    break
        self.end(pair)

    def end(self, pair):
        for s in pair:
            with contextlib.suppress(OSError):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
        with self.lock:
            known = pair in self.pairs
            self.pairs.discard(pair)
        if known:
            pair[0].close()
            pair[1].close()

    def cut(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.end(pair)


class Ends:
    """How the ends of writes are changed on connections to PostgreSQL. Places: before a COMMIT of dxdb is sent; after it, before its
    sync; the database's answer to a statement, to the COMMIT, to the sync, and to the question for the position. next: a place, and
    one of WHATS for the next message there; share: the part of all messages that get any of WHATS."""
    PLACES = ("asked", "sent", "statement", "commit", "sync", "position")
    ERRORS = tuple(tuple(text.split()) for text in (
        "FATAL 57P01", "FATAL 57P02", "FATAL 57P03", "FATAL 57P05", "PANIC XX000", "FATAL 25P03", "FATAL 08P01", "ERROR 08P01", "ERROR 08007",
        "ERROR 40003", "FATAL 53300", "- 23505"))  # -: without the severity that is not translated
    WHATS = ("cut", "half", "garbage", "missing", "late", *ERRORS)

    def __init__(self, random, late_s):
        self.random, self.late_s, self.next, self.share = random, late_s, None, 0
        self.lock, self.taken = threading.Lock(), collections.Counter()

    def take(self, place):
        """What is to be made of this; or None."""
        with self.lock:
            what = None
            if self.next and self.next[0] == place:
                what, self.next = self.next[1], None
            elif self.share and self.random.random() < self.share / len(self.PLACES):
                what = self.random.choice(self.WHATS)
            if what and place in ("asked", "sent") and what != "late":
                what = "cut"
            self.taken[place, what] += what is not None
            return what

    def make(self, what, before, message):
        """What becomes of a message; before: that is still to be sent."""
        if what == "late":
            time.sleep(self.late_s)
            return before + message
        if what == "missing":
            return before
        after = {"cut": b"", "half": message[:len(message) // 2], "garbage": b"?" + message[1:]}
        more = after[what] if what in after else self.error(*what)
        raise Cut(before + more, self.random.choice([0, 0.05]))

    @staticmethod
    def error(severity, state):
        fields = [b"S" + severity.encode(), b"C" + state.encode(), b"Ma changed end", b""]
        if severity != "-":
            fields.insert(1, b"V" + severity.encode())
        body = b"".join(field + b"\0" for field in fields)
        return b"E" + struct.pack(">I", 4 + len(body)) + body


class Wire:
    """The messages of a connection to PostgreSQL, in both directions. Its Ends decide which of them are changed, and how."""

    def __init__(self, ends):
        self.ends, self.begun, self.phase = ends, False, ""
        self.asked = self.told = b""

    @staticmethod
    def first(data, head):
        """The first message, if it is whole. head: bytes before its size."""
        if len(data) < head + 4:
            return b""
        size = head + struct.unpack_from(">I", data, head)[0]
        return data[:size] if len(data) >= size else b""

    def asks(self, data):
        self.asked += data
        out, place = b"", None
        while message := self.first(self.asked, int(self.begun)):
            self.asked, self.begun = self.asked[len(message):], True
            if message[:1] == b"B" and message[5:].startswith(b"\0commit\0"):
                place = "asked"
            elif message[:1] == b"S" and place == "execute":
                place = "sent"
            if place in ("asked", "sent"):
                what = self.ends.take(place)
                place = "execute" if place == "asked" else None
                if what:
                    out = self.ends.make(what, out, message)
                    continue
            out += message
        return out

    def tells(self, data):
        self.told += data
        out = b""
        while message := self.first(self.told, 1):
            self.told = self.told[len(message):]
            kind, place = message[:1], None
            if kind == b"C" and message[5:].startswith((b"INSERT", b"UPDATE", b"DELETE")):
                place = "statement"
            elif kind == b"C" and message[5:] == b"COMMIT\0":
                place = self.phase = "commit"
            elif kind == b"Z" and self.phase == "commit":
                place = self.phase = "sync"
            elif kind == b"D" and self.phase == "sync":
                place, self.phase = "position", ""
            what = place and self.ends.take(place)
            out = self.ends.make(what, out, message) if what else out + message
        return out


def end_of_write(status, text):
    """1: it was committed, 0: it has failed, None: unknown, according to the error that the write was answered with."""
    if "may have been committed" in text:
        assert status in (500, 504), "%d says to ask again: %s" % (status, text)
        return None
    return int("it was committed" in text)


def connect_database():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(postgres.place + "/.s.PGSQL.5432")
    s.settimeout(None)
    return s


# ---- dxdb
def quoted(text):
    return json.dumps(text)


def write_config(path, queries, server="", database="", cache="", url=None, writes={}):
    with open(path, "w") as f:
        f.write('[server]\nhbtp = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n%s\n' % server)
        beat = "" if "heartbeat_ms" in database else "heartbeat_ms = 200"
        f.write("[database]\nurl = %s\n%s\n%s\n[cache]\n%s\n" % (quoted(url or postgres.url), beat, database, cache))
        for name, query in queries.items():
            query = {"sql": query} if isinstance(query, str) else query
            f.write("[[query]]\nname = %s\n" % quoted(name))
            for key, value in query.items():
                f.write("%s = %s\n" % (key, json.dumps(value)))
        for name, write in writes.items():
            f.write("[[write]]\nname = %s\n" % quoted(name))
            for key, value in write.items():
                f.write("%s = %s\n" % (key, json.dumps(value)))


REPLICATED = 'source = "replication"'


class Server:
    def __init__(self, queries, install=True, ready=True, options=(), name="dxdb", **config):
        write_config(name + ".toml", queries, **config)
        self.methods = {name: place for place, name in enumerate([*queries, *config.get("writes", {})], 1)}
        if install:
            command = "install-publication" if config.get("database", "").startswith(REPLICATED) else "install-triggers"
            subprocess.run([DXDB, command, name + ".toml"], check=True, stdout=subprocess.DEVNULL)
        self.log = open(name + ".log", "wb+")
        self.process = subprocess.Popen([DXDB, "serve", name + ".toml", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        self.at = {}
        for _ in range(2):
            protocol, _, address = self.process.stdout.readline().decode().strip().partition(" on ")
            host, _, port = address.rpartition(":")
            self.at[protocol] = (host, int(port))
        if ready:
            try:
                until(lambda: self.fetch("/healthz")[0] == 200)
            except BaseException:  # there is no __exit__ yet
                self.process.kill()
                self.process.wait()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("SIGTERM does not end it")
        self.process.stdout.close()
        self.log.seek(0)
        said = self.log.read().decode(errors="replace")
        self.log.close()
        assert status == 0, "status %d: %s" % (status, said)
        assert "Sanitizer" not in said, said
        bare = [line for line in said.splitlines() if not line.startswith("dxdb: ")]
        assert not bare, "lines without a prefix: %s" % bare
        return False

    def said(self):
        with open("dxdb.log") as f:
            return f.read()

    def fetch(self, path, headers={}, method="GET", body=None):
        """status, fields, body"""
        connection = http.client.HTTPConnection(*self.at["http"], timeout=PATIENCE)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def get(self, query, status=200, **parameters):
        """The result. A query that ran while the catalog was loaded again, as after a TRUNCATE, is answered with 503: ask again."""
        path = "/q/" + query + ("?" + urllib.parse.urlencode(parameters) if parameters else "")

        def once():
            found, _, body = self.fetch(path)
            return None if found == 503 and status == 200 and b"ask again" in body else (found, body)
        found, body = until(once)
        assert found == status, "%s: status %d instead of %d: %s" % (path, found, status, body)
        return json.loads(body)

    def metrics(self):
        body = self.fetch("/metrics")[2].decode()
        return {name: int(value) for name, value in re.findall(r"^(\S+) (\d+)$", body, flags=re.M)}

    def memory(self):
        """Resident, in KiB."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def write(self, client, name, *values):
        """position, rows of each statement"""
        answer = client.call(self.methods[name], arguments(*values), timeout=PATIENCE)
        numbers = struct.unpack("<%dQ" % (len(answer) // 8), answer)
        return numbers[0], list(numbers[1:])

    def post(self, name, values, status=200, headers={}):
        """What a write over HTTP is answered with; its position is also in a field."""
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        found, fields, answer = self.fetch("/w/" + name, {"Content-Type": "application/json"} | headers, "POST", body)
        assert found == status, "%s: status %d instead of %d: %s" % (body, found, status, answer)
        answer = json.loads(answer)
        assert fields["Dx-Position"] == answer.get("position") and ("error" in answer) == (status != 200), answer
        return answer

    def hbtp(self):
        return dx_hbtp.Client(*self.at["hbtp"])

    def raw(self, data, seconds=PATIENCE):
        """The HTTP answer to these bytes, up to the end of the connection."""
        with socket.create_connection(self.at["http"], timeout=seconds) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return out
                out += more


def arguments(*values):
    return b"".join(struct.pack("<I", 0xffffffff) if v is None else struct.pack("<I", len(v.encode())) + v.encode() for v in values)


class Ended(Exception):
    pass


class Follower:
    """A subscriber to a query, with the checks of a client that trusts nobody. Each content is (version of the frame, position, status,
    record); a record must be one that opens. It can be cut off and come back, to another server too."""

    def __init__(self, query, *parameters, apply=patches.apply):
        self.query, self.parameters, self.apply = query, parameters, apply
        self.client = self.ended = self.trouble = self.record = self.position = None
        self.status, self.since, self.number = 0, (0, 0), 0
        self.history, self.frames, self.patches, self.kept = [], 0, 0, 0

    def connect(self, server, **options):
        self.close()
        self.client = dx_hbtp.Client(*server.at["hbtp"], payload_max=1 << 21, **options)
        self.kind = json.loads(self.client.call(0, self.query.encode()))["type"]
        self.watch(server.methods[self.query])
        return self

    def watch(self, method):
        have = b"\0"
        if self.record is not None:
            have = b"\1" + struct.pack("<Q", self.since[0]) + hashlib.sha256(self.record).digest()[:16]
        answer = self.client.call(255, bytes([method]) + have + arguments(*self.parameters), timeout=PATIENCE)
        number, same, epoch, version, position = struct.unpack("<IIQQQ", answer)
        self.kept += same
        since = (epoch, version) if same else self.since if self.since[0] == epoch else None
        self.number, self.since = number, since or (0, 0)
        if since and not self.ended:
            self.status = 200
        self.client.subscribe(number, self.changed, since=since, timeout=PATIENCE)

    def changed(self, whole, data):
        try:
            position, status, zero, size = struct.unpack_from("<QHHI", data)
            body, self.frames = data[16:], self.frames + 1
            assert zero == 0
            if status not in (200, 503):
                assert whole and len(body) == size
                self.ended = (status, body.decode())
                return
            if whole:
                self.record = body
            elif body:
                self.patches += 1
                self.record = bytes(self.apply(self.record, body))
            assert len(self.record) == size, "%d bytes instead of %d" % (len(self.record), size)
            self.position, self.status = position, status
            self.history.append((position, status, self.rows()))
        except Exception as e:
            self.trouble = e

    def rows(self):
        return records().open_record(self.kind, self.record, 0)["rows"]

    def now(self):
        """The rows it has, if they are up to date; raises what went wrong."""
        if self.trouble:
            raise self.trouble
        if self.ended:
            raise Ended(*self.ended)
        return self.rows() if self.status == 200 else None

    def close(self):
        if self.client:
            self.client.close()
            self.since = self.client.version_of(self.number) or self.since
        self.client = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def refusal_of(work):
    """The status and text that the other side refuses it with."""
    try:
        value = work()
    except dx_hbtp.HbtpError as e:
        return e.status, e.text
    raise AssertionError("it was answered: %s" % (value,))


def together(count, work):
    """The results of work(0), work(1) ... on threads of their own."""
    results = [None] * count

    def one(i):
        try:
            results[i] = work(i)
        except Exception as e:
            results[i] = e
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def records():
    """tests/readers/read.py as a module."""
    import importlib
    return importlib.import_module("read")


def layout(kind):
    """The checksum of a described type, computed from its description alone, as in docs/formats/teleport.md, section 1."""
    data = b""
    for f in kind["fields"]:
        data += f["name"].encode() + b"\0" + struct.pack("<BII", f["code"], f["count"], f["offset"])
        if "type" in f:
            data += struct.pack("<Q", layout(f["type"]))
    checksum = 0xcbf29ce484222325
    for byte in data:
        checksum = (checksum ^ byte) * 0x100000001b3 % (1 << 64)
    assert kind["layouts"] == ["%016x" % checksum], kind["name"]
    return checksum


USERS = "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i;"
ONE_USER = {"sql": "SELECT id, name FROM users WHERE id = $1 /* one user */", "parameters": ["id"]}


# ---- cases
def p19_dt_4_w_43_st_22_a_result_is_kept_until_its_table_changes(database=""):
    postgres.fresh(USERS + "CREATE TABLE others (id int)")
    with Server({"user": ONE_USER, "other": "SELECT count(*) AS n FROM others /* others */"}, database=database) as s:
        before = postgres.runs("one user")
        for _ in range(5):
            assert s.get("user", id=7) == [{"id": 7, "name": "user 7"}]
        assert postgres.runs("one user") == before + 1
        assert s.get("other") == [{"n": 0}]
        for change, want in (("UPDATE users SET name = 'x' WHERE id = 7", [{"id": 7, "name": "x"}]),
                             ("DELETE FROM users WHERE id = 7", []),
                             ("INSERT INTO users VALUES (7, 'y')", [{"id": 7, "name": "y"}]),
                             ("TRUNCATE users", []),
                             ("BEGIN; INSERT INTO users VALUES (7, 'z'); ROLLBACK; BEGIN; INSERT INTO users VALUES (7, 'w'); COMMIT",
                              [{"id": 7, "name": "w"}])):
            told = s.metrics()["dxdb_notifications_total"]
            postgres.sql(change)
            until(lambda: s.metrics()["dxdb_notifications_total"] > told)
            assert s.get("user", id=7) == want, change
        runs = postgres.runs("others")
        assert s.get("other") == [{"n": 0}]
        # A TRUNCATE replaces the table's file, which looks like a change of the schema.
        assert postgres.runs("others") <= runs + 1


def hbtp_and_http_give_the_same():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}) as s, s.hbtp() as client:
        described = json.loads(client.call(0, b"user"))
        assert described["parameters"] == [{"name": "id", "type": "integer"}] and described["cached"] is True
        assert described == json.loads(s.fetch("/q/user/describe")[2])
        before = postgres.runs("one user")
        record = client.call(s.methods["user"], arguments("9"))
        assert records().open_record(described["type"], record, 0) == {"rows": [{"id": 9, "name": "user 9", "name_null": False}]}
        assert client.call(s.methods["user"], arguments("9")) == record
        assert s.fetch("/q/user?id=9", {"Accept": "application/x-dx-teleport"})[2] == record
        assert s.get("user", id=9) == [{"id": 9, "name": "user 9"}]
        assert postgres.runs("one user") == before + 1
        postgres.sql("UPDATE users SET name = NULL WHERE id = 9")
        until(lambda: client.call(s.methods["user"], arguments("9")) != record)
        record = client.call(s.methods["user"], arguments("9"))
        assert records().open_record(described["type"], record, 0) == {"rows": [{"id": 9, "name": "", "name_null": True}]}
        for bad, status in (((1, b""), 400), ((1, b"\1\0\0\0"), 400), ((1, arguments("1") + b"x"), 400), ((1, arguments("1\0")), 400),
                            ((1, struct.pack("<I", 0xfffffffe) + b"1"), 400), ((1, arguments("abc")), 400), ((200, b""), 404),
                            ((0, b"nothing"), 404)):
            try:
                client.call(*bad)
                raise AssertionError("%s is answered" % (bad,))
            except dx_hbtp.HbtpError as e:
                assert e.status == status, (bad, e.status, e.text)


TYPES = [  # SQL, JSON, record (None: as in JSON), NAME_null where it has one
    ("true", True), ("NULL::bool", None), ("(-32768)::int2", -32768), ("2147483647", 2147483647),
    ("'-9223372036854775808'::int8", -9223372036854775808), ("4294967295::oid", 4294967295),
    ("0.1::float4", 0.1), ("0.1::float8 + 0.2", 0.30000000000000004), ("'-Infinity'::float8", "-Infinity"), ("1e300::float8", 1e300),
    ("12345678901234567890.000100::numeric", "12345678901234567890.000100"), ("'NaN'::numeric", "NaN"), ("NULL::numeric", None),
    ("''", ""), ("E'\\u00e4\\n\"\\\\\\x07'", "\u00e4\n\"\\\x07"), ("NULL::text", None), ("'ab'::char(4)", "ab  "), ("'a'::varchar", "a"),
    ("'2026-11-24 12:00:00.000001+02'::timestamptz", "2026-11-24T10:00:00.000001Z", 1795514400000001),
    ("'1969-12-31 23:59:59'::timestamp", "1969-12-31T23:59:59", -1000000), ("'infinity'::timestamptz", "infinity", (1 << 63) - 1),
    ("'-infinity'::timestamp", "-infinity", -(1 << 63)), ("'0001-01-01 BC'::timestamp", "0000-01-01T00:00:00", -62167219200000000),
    ("'2000-02-29'::date", "2000-02-29", 11016), ("'12345-06-07'::date", "+012345-06-07", 3789548), ("'-infinity'::date", "-infinity", -(1 << 31)),
    ("'24:00:00'::time", "24:00:00", 86400000000), ("'01:02:03.5'::time", "01:02:03.500000", 3723500000),
    ("'1 day 02:03'::interval", "1 day 02:03:00"), ("'12:00+01'::timetz", "12:00:00+01"),
    ("'00112233-4455-6677-8899-aabbccddeeff'::uuid", "00112233-4455-6677-8899-aabbccddeeff", list(range(0, 0x100, 0x11))),
    ("NULL::uuid", None, [0] * 16), ("'\\xdeadbeef'::bytea", "\\xdeadbeef", [0xde, 0xad, 0xbe, 0xef]), ("''::bytea", "\\x", []),
    ("NULL::bytea", None, []), ("'{\"a\": [1, null]}'::json", {"a": [1, None]}, '{"a": [1, null]}'), ("'null'::jsonb", None, "null"),
    ("'sad'::mood", "sad"), ("NULL::mood", None), ("'7'::positive", 7), ("'10.0.0.1/8'::inet", "10.0.0.1/8"), ("'[1,5)'::int4range", "[1,5)"),
    ("point '(1,2)'", "(1,2)"), ("'<a>b</a>'::xml", "<a>b</a>") if False else ("'a'::\"char\"", "a"),
    ("ARRAY[1, NULL, -3]", [1, None, -3], [{"value": 1}, {"value": None}, {"value": -3}]), ("'{}'::int8[]", [], []),
    ("NULL::int8[]", None, []), ("ARRAY['a \"b\"', NULL, 'NULL', '', '{,}', E'\\\\']", ["a \"b\"", None, "NULL", "", "{,}", "\\"],
     [{"value": v or "", "value_null": v is None} for v in ("a \"b\"", None, "NULL", "", "{,}", "\\")]),
    ("'[5:6]={1,2}'::int4[]", [1, 2], [{"value": 1}, {"value": 2}]), ("ARRAY['sad']::mood[]", ["sad"], [{"value": "sad", "value_null": False}]),
    ("ARRAY['7']::positive[]", [7], [{"value": 7}]), ("ARRAY['2000-02-29'::date]", ["2000-02-29"], [{"value": 11016}]),
    ("ARRAY['{\"a\":1}'::json]", [{"a": 1}], [{"value": '{"a":1}', "value_null": False}]), ("'1 2'::int2vector", "1 2"),
    ("ARRAY[1.5::float4]", [1.5], [{"value": 1.5}]), ("box '((1,1),(0,0))'", "(1,1),(0,0)"),
    ("ARRAY[box '((1,1),(0,0))']", "{(1,1),(0,0)}"),
]


def every_type_is_what_it_was():
    postgres.fresh("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);")
    sql = "SELECT " + ", ".join("%s AS c%d" % (row[0], i) for i, row in enumerate(TYPES))
    with Server({"types": {"sql": sql, "tables": []}}) as s, s.hbtp() as client:
        got = s.get("types")[0]
        described = json.loads(client.call(0, b"types"))
        layout(described["type"])
        record = records().open_record(described["type"], client.call(1), 0)["rows"][0]
        for i, row in enumerate(TYPES):
            name = "c%d" % i
            assert got[name] == row[1] and type(got[name]) is type(row[1]), "%s is %r in JSON" % (row[0], got[name])
            want, flag = row[2] if len(row) > 2 else row[1], record.get(name + "_null")
            if want is None and flag is not None:
                want = ""
            value = record[name]
            if isinstance(value, float):
                value = float(json.loads(json.dumps(want))) if value == float(want) or struct.pack("<f", float(want)) == struct.pack("<f", value) else value
                want = float(want)
            assert value == want, "%s is %r in the record" % (row[0], value)
            assert flag in (None, row[1] is None and row[0] != "'null'::jsonb"), "%s: null is %r" % (row[0], flag)


def what_a_record_cannot_hold_is_an_error():
    postgres.fresh("")
    queries = {"deep": "SELECT ARRAY[[1,2],[3,4]] AS a", "twice": "SELECT 1 AS a, 2 AS a", "flag": "SELECT 'x' AS a, true AS a_null",
               "long": "SELECT 1 AS %s" % ("x" * 49), "large": "SELECT repeat('x', 3000) AS t", "nothing": "SELECT 1 AS a WHERE false",
               "none": "SELECT", "missing": "SELECT * FROM missing", "count": "SELECT $1::int AS a", "zero": "SELECT 1 / $1::int AS a"}
    queries = {name: {"sql": sql} for name, sql in queries.items()}
    queries["zero"]["parameters"] = ["by"]
    with Server(queries, install=False, server="result_max = 2048") as s:
        assert s.get("nothing") == []
        assert "one dimension" in s.get("deep", 500)["error"]
        assert "name of its own" in s.get("twice", 500)["error"]
        assert "name of its own" in s.get("flag", 500)["error"]
        assert "name of its own" in s.get("long", 500)["error"]
        assert "result_max" in s.get("large", 413)["error"]
        assert "no columns" in s.get("none", 500)["error"]
        assert "does not exist" in s.get("missing", 500)["error"]
        assert "1 parameters" in s.get("count", 500)["error"]
        assert "division by zero" in s.get("zero", 400, by=0)["error"]
        assert s.get("zero", by=1) == [{"a": 1}]
        for query in ("twice", "none", "missing", "count"):
            assert "query " + query in s.said()
        assert s.fetch("/q/missing/describe")[0] == 500


def dt_7_parameters_are_compared():
    postgres.fresh("CREATE TABLE t (a text)")
    query = {"sql": "SELECT $1::text AS a, $2::text AS b, (SELECT count(*) FROM t) AS n /* pairs */", "parameters": ["a", "b"]}
    with Server({"pairs": query}) as s, s.hbtp() as client:
        kind = json.loads(client.call(0, b"pairs"))["type"]
        pairs = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), (None, "abc"), ("abc", None), (None, None), ("", ""), ("n", ""),
                 ("v", "v"), (None, "n"), ("\u00e4", "%00"), ("a\1", "\1b")]
        before = postgres.runs("pairs")
        for _ in range(2):
            for a, b in pairs:
                row = records().open_record(kind, client.call(1, arguments(a, b)), 0)["rows"][0]
                assert row == {"a": a or "", "a_null": a is None, "b": b or "", "b_null": b is None, "n": 0}, (a, b)
        assert postgres.runs("pairs") == before + len(pairs)
        assert s.get("pairs", a="x", b="1 & 2=3%") == [{"a": "x", "b": "1 & 2=3%", "n": 0}]
        assert json.loads(s.fetch("/q/pairs?b=y&a")[2]) == [{"a": None, "b": "y", "n": 0}]
        for bad in ("", "?a=1", "?a=1&b=2&c=3", "?a=1&a=2&b=3", "?a=%zz&b=1", "?a=%4&b=1", "?a=%00&b=1", "?a=1&b=%e"):
            assert s.fetch("/q/pairs" + bad)[0] == 400, bad
        assert s.fetch("/q/pairs?a=%s&b=" % ("x" * 5000))[0] == 413


def dt_3_one_query_runs_for_all_who_ask():
    postgres.fresh("CREATE TABLE t (v int); INSERT INTO t VALUES (1)")
    query = {"sql": "SELECT v FROM t, pg_sleep(0.5) WHERE $1::int = 1 /* slow */", "parameters": ["a"]}
    with Server({"slow": query}) as s:
        before = postgres.runs("slow")
        assert together(20, lambda i: s.get("slow", a=1)) == [[{"v": 1}]] * 20
        assert postgres.runs("slow") == before + 1
        m = s.metrics()
        assert m["dxdb_loads_total"] == 1 and m["dxdb_joined_total"] + m["dxdb_hits_total"] == 19, m


def p19_dt_5_w_44_who_asks_after_a_change_gets_no_older_result():
    postgres.fresh("CREATE TABLE t (v int); INSERT INTO t VALUES (1)")
    with Server({"slow": "SELECT v FROM t, (SELECT 1 AS one, pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)) x /* late */"}) as s, Lock() as lock:
        before = postgres.runs("late")

        def ask(i):
            if i == 1:
                until(lambda: s.metrics()["dxdb_pool_running"] == 1)
            if i == 2:
                until(lambda: s.metrics()["dxdb_joined_total"] == 1)
                postgres.sql("UPDATE t SET v = 2")
                until(lambda: s.metrics()["dxdb_notifications_total"] == 1)
                assert s.metrics()["dxdb_pool_running"] == 1
                threading.Thread(target=lambda: (until(lambda: s.metrics()["dxdb_pool_running"] == 2), lock.free())).start()
            return s.get("slow")
        assert together(3, ask) == [[{"v": 1}], [{"v": 1}], [{"v": 2}]]
        assert postgres.runs("late") == before + 2
        assert s.get("slow") == [{"v": 2}] and postgres.runs("late") == before + 2
        assert s.metrics()["dxdb_outdated_total"] == 1


def dt_5_nobody_sees_a_version_twice(database=""):
    """Writers count up; each reader's versions never go back, and reach the last one."""
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(0, 3) i")
    query = {"sql": "SELECT v FROM t WHERE id = $1", "parameters": ["id"]}
    rounds = 150
    with Server({"t": query}, database=database) as s:
        writer = subprocess.Popen(["psql", "-Xq", "-d", postgres.url], stdin=subprocess.PIPE)
        done = threading.Event()

        def read(i):
            last, reads = 0, 0
            connection = http.client.HTTPConnection(*s.at["http"], timeout=PATIENCE)
            while not done.is_set():
                connection.request("GET", "/q/t?id=%d" % (i % 4))
                v = json.loads(connection.getresponse().read())[0]["v"]
                assert v >= last, "%d after %d" % (v, last)
                last, reads = v, reads + 1
            connection.close()
            return reads

        def write():
            for v in range(1, rounds + 1):
                writer.stdin.write(b"UPDATE t SET v = %d;\n" % v)
                writer.stdin.flush()
                time.sleep(0.01)
            writer.stdin.close()
            writer.wait()
            until(lambda: s.metrics()["dxdb_invalidations_total"] >= rounds)
            assert [s.get("t", id=i)[0]["v"] for i in range(4)] == [rounds] * 4
        reads = together(5, lambda i: read(i) if i < 4 else (write(), done.set()))
        assert s.metrics()["dxdb_hits_total"] > 0 and min(reads[:4]) > rounds


class Lock:
    """Holds what a statement waits for, until it is freed: no case depends on how long something takes."""

    def __enter__(self):
        self.holder = subprocess.Popen(["psql", "-XqAt", "-d", postgres.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdin.write(b"SELECT 'held', pg_advisory_lock(1);\n")
        self.holder.stdin.flush()
        self.holder.stdout.readline()
        return self

    def free(self):
        holder, self.holder = self.holder, None  # a thread of the case may free it, too
        if holder:
            holder.communicate()

    def __exit__(self, *_):
        self.free()


def dt_2_what_is_not_watched_is_not_kept():
    postgres.fresh(USERS + "CREATE TABLE bare (v int); INSERT INTO bare VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT 1 AS v")
    queries = {"bare": "SELECT v FROM bare /* bare */", "m": "SELECT v FROM m /* mat */", "now": "SELECT now() AS t /* now */",
               "timed": {"sql": "SELECT v FROM bare /* timed */", "ttl_s": 2}}
    with Server(queries, install=False) as s:
        before = {mark: postgres.runs(mark) for mark in ("* bare", "* mat", "* now", "* timed")}
        for _ in range(3):
            assert s.get("bare") == [{"v": 1}] and s.get("m") == [{"v": 1}] and s.get("timed") == [{"v": 1}]
            s.get("now")
        assert {mark: postgres.runs(mark) - n for mark, n in before.items()} == {"* bare": 3, "* mat": 3, "* now": 3, "* timed": 1}
        assert "bare has no trigger" in s.said(), s.said()
        assert json.loads(s.fetch("/q/bare/describe")[2])["cached"] is False
        postgres.sql("UPDATE bare SET v = 2")
        assert s.get("bare") == [{"v": 2}]
        until(lambda: s.get("timed") == [{"v": 2}], 5)


def triggers_that_come_and_go_are_seen():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, install=False) as s:
        def kept():
            s.get("user", id=1)
            runs = postgres.runs("one user")
            return s.get("user", id=1) and postgres.runs("one user") == runs
        assert not kept()
        write_config("other.toml", {"user": ONE_USER})
        resets = s.metrics()["dxdb_resets_total"]
        postgres.sql(subprocess.run([DXDB, "install-triggers", "other.toml", "--print"], stdout=subprocess.PIPE).stdout.decode())
        # The tables are watched from the next reload on.
        postgres.sql("NOTIFY dxdb, '*'")
        until(lambda: s.metrics()["dxdb_resets_total"] > resets)
        until(kept)
        postgres.sql("ALTER TABLE users DISABLE TRIGGER dxdb_changed")
        until(lambda: not kept())
        postgres.sql("ALTER TABLE users ENABLE TRIGGER dxdb_changed")
        until(kept)
        postgres.sql("UPDATE users SET name = 'z' WHERE id = 1")
        until(lambda: s.get("user", id=1) == [{"id": 1, "name": "z"}])


def views_partitions_and_children_are_followed(database=""):
    postgres.fresh("CREATE TABLE p (k int, v int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
                   "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); CREATE VIEW w AS SELECT * FROM p WHERE v > 0;"
                   "CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);"
                   "CREATE TABLE master (id int PRIMARY KEY); CREATE TABLE slave (id int REFERENCES master ON DELETE CASCADE);"
                   "INSERT INTO master VALUES (1); INSERT INTO slave VALUES (1)")
    queries = {"view": "SELECT count(*) AS n FROM w", "one": "SELECT count(*) AS n FROM p1", "parent": "SELECT count(*) AS n FROM parent",
               "slave": "SELECT count(*) AS n FROM slave", "cte": "WITH x AS (SELECT * FROM p) SELECT (SELECT count(*) FROM x) AS n"}
    with Server(queries, database=database) as s:
        def all_():
            return [s.get(q)[0]["n"] for q in queries]
        want = [0, 0, 0, 1, 0]
        assert all_() == want and all_() == want
        for change, want in (("INSERT INTO p VALUES (1, 1)", [1, 1, 0, 1, 1]), ("INSERT INTO p2 VALUES (2, 1)", [2, 1, 0, 1, 2]),
                             ("INSERT INTO child VALUES (1, 1)", [2, 1, 1, 1, 2]), ("DELETE FROM master", [2, 1, 1, 0, 2]),
                             ("DELETE FROM p1", [1, 0, 1, 0, 1])):
            told = s.metrics()["dxdb_notifications_total"]
            postgres.sql(change)
            until(lambda: s.metrics()["dxdb_notifications_total"] > told)
            assert all_() == want, change


def a_change_of_the_schema_is_seen(database=""):
    postgres.fresh(USERS)
    with Server({"all": "SELECT * FROM users WHERE id = 1"}, database=database) as s:
        assert s.get("all") == [{"id": 1, "name": "user 1"}]
        layout = json.loads(s.fetch("/q/all/describe")[2])["type"]["layouts"]
        for change, want in (("ADD COLUMN age int DEFAULT 5", [{"id": 1, "name": "user 1", "age": 5}]),
                             ("ALTER COLUMN age TYPE text USING age || '!'", [{"id": 1, "name": "user 1", "age": "5!"}]),
                             ("DROP COLUMN name", [{"id": 1, "age": "5!"}]), ("RENAME COLUMN age TO years", [{"id": 1, "years": "5!"}])):
            postgres.sql("ALTER TABLE users " + change)
            until(lambda: s.fetch("/q/all")[0] == 200 and json.loads(s.fetch("/q/all")[2]) == want)
        assert json.loads(s.fetch("/q/all/describe")[2])["type"]["layouts"] != layout
        postgres.sql("DROP TABLE users")
        until(lambda: s.fetch("/q/all")[0] == 500)
        postgres.sql(USERS)
        until(lambda: s.fetch("/q/all")[0] == 200)
        assert s.get("all") == [{"id": 1, "name": "user 1"}]


REPLACED = {  # what is followed, what is replaced without a change of its tables, and the answer then; None: it is refused
    "view": ("SELECT name FROM w", "CREATE OR REPLACE VIEW w AS SELECT id, name || '!' AS name FROM users WHERE id = 1", [{"name": "user 1!"}]),
    "nested": ("SELECT name FROM ww", "CREATE OR REPLACE VIEW inner_w AS SELECT id, upper(name) AS name FROM users", [{"name": "USER 1"}]),
    "sql": ("SELECT label(name) AS name FROM users WHERE id = 1", "CREATE OR REPLACE FUNCTION label(text) RETURNS text LANGUAGE sql AS 'SELECT ''<'' || $1'", [{"name": "<user 1"}]),
    "plpgsql": ("SELECT mark(name) AS name FROM users WHERE id = 1",
                "CREATE OR REPLACE FUNCTION mark(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''>'' || $1; END'", [{"name": ">user 1"}]),
    "overload": ("SELECT plain(name) AS name FROM users WHERE id = 1", "CREATE FUNCTION first.plain(text) RETURNS text LANGUAGE sql AS 'SELECT ''first'' '", [{"name": "first"}]),
    "enum": ("SELECT m FROM moods", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", [{"m": "blue"}]),
    "shadow": ("SELECT v FROM shadowed", "CREATE TABLE first.shadowed AS SELECT 2 AS v; GRANT SELECT ON first.shadowed TO plain", None),
    "policy": ("SELECT v FROM rows ORDER BY v", "ALTER TABLE rows ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON rows USING (v > 1); CREATE POLICY q ON rows TO readers USING (true)",
               [{"v": 2}]),
    "member": ("SELECT v FROM rows ORDER BY v", "GRANT readers TO plain", [{"v": 1}, {"v": 2}]),
    "altered": ("SELECT v FROM rows ORDER BY v", "DROP POLICY q ON rows; ALTER POLICY p ON rows USING (v < 2)", [{"v": 1}]),
    "owner": ("SELECT v FROM owned", "ALTER VIEW owned OWNER TO other", None),
    "revoked": ("SELECT v FROM revoked", "REVOKE SELECT ON revoked FROM plain", None),
    "column": ("SELECT v FROM part", "REVOKE SELECT (v) ON part FROM plain", None),
}


@contextlib.contextmanager
def plain_role():
    """The url of a role that may read the tables, and nothing else."""
    postgres.sql("SET client_min_messages = warning; DROP ROLE IF EXISTS plain; DROP ROLE IF EXISTS readers; DROP ROLE IF EXISTS other;"
                 "CREATE ROLE plain LOGIN REPLICATION; CREATE ROLE readers; CREATE ROLE other; GRANT USAGE ON SCHEMA public TO plain;"
                 "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO plain")
    try:
        yield postgres.url.replace("user=test", "user=plain")
    finally:
        postgres.sql("DROP OWNED BY plain, readers, other; DROP ROLE plain, readers, other")


def what_is_replaced_beside_the_tables_is_seen(database=""):
    """The role that serves is not the one that installs, and has no rights but to read."""
    postgres.fresh("DROP SCHEMA IF EXISTS first CASCADE; DROP SCHEMA IF EXISTS hidden CASCADE")
    with plain_role() as url:
        postgres.sql(USERS + "CREATE SCHEMA first; GRANT USAGE ON SCHEMA first TO plain; CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE moods AS SELECT 'sad'::mood AS m;"
                     "CREATE VIEW w AS SELECT id, name FROM users WHERE id = 1; CREATE VIEW inner_w AS SELECT id, name FROM users; CREATE VIEW ww AS SELECT * FROM inner_w WHERE id = 1;"
                     "CREATE FUNCTION label(text) RETURNS text LANGUAGE sql AS 'SELECT $1'; CREATE FUNCTION mark(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';"
                     "CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql AS 'SELECT $1'; CREATE TABLE shadowed AS SELECT 1 AS v; CREATE TABLE revoked AS SELECT 1 AS v;"
                     "CREATE TABLE rows AS SELECT generate_series(1, 2) AS v; CREATE TABLE part AS SELECT 1 AS v, 2 AS other; REVOKE SELECT ON part FROM plain;"
                     "GRANT SELECT (v, other) ON part TO plain; CREATE SCHEMA hidden; CREATE TABLE hidden.t AS SELECT 1 AS id, 1 AS v; CREATE VIEW owned AS SELECT v FROM hidden.t")
        queries = {name: sql for name, (sql, _, _) in REPLACED.items()}
        queries["keyed"] = {"sql": "SELECT v FROM owned_keyed WHERE id = $1", "parameters": ["id"]}
        postgres.sql("CREATE VIEW owned_keyed AS SELECT * FROM hidden.t")
        write_config("install.toml", queries, database=database)
        subprocess.run([DXDB, "install-publication" if database else "install-triggers", "install.toml"], check=True, stdout=subprocess.DEVNULL)
        with Server(queries, install=False, url=url + " options='-c search_path=first,public'", database=database) as s:
            assert s.said() == "", s.said()
            assert json.loads(s.fetch("/q/keyed/describe")[2])["cached"] is True
            for name, (sql, change, want) in REPLACED.items():
                before = s.get(name)
                stream = Events(s, "/q/%s/live" % name)
                assert stream.next()[1] == before
                time.sleep(0.3)  # more than a heartbeat: nothing else is to be noticed
                postgres.sql(change)
                if want is not None:
                    until(lambda: s.get(name) == want, PATIENCE)
                    while stream.next()[1] != want:
                        pass
                elif name == "shadow":  # a table that is not watched: read each time, and not followed
                    until(lambda: s.get(name) == [{"v": 2}])
                    postgres.sql("DROP TABLE first.shadowed")
                    until(lambda: s.get(name) == [{"v": 1}])
                else:
                    until(lambda: s.fetch("/q/" + name)[0] == 500)
                    assert "permission denied" in s.get(name, 500)["error"]
                stream.close()
            postgres.sql("GRANT SELECT ON revoked TO plain; GRANT USAGE ON SCHEMA hidden TO other; GRANT SELECT ON hidden.t TO other")
            until(lambda: s.fetch("/q/revoked")[0] == 200 and s.fetch("/q/owner")[0] == 200)
            time.sleep(1)  # until a heartbeat has noticed it
            resets = s.metrics()["dxdb_resets_total"]
            postgres.sql("CREATE TEMP TABLE rows (v int); CREATE TEMP VIEW w AS SELECT 1 AS v; ANALYZE users; CREATE TABLE unrelated (v int)")
            postgres.sql("VACUUM moods")
            time.sleep(1)
            assert s.metrics()["dxdb_resets_total"] == resets, "what concerns no query is noticed"
            assert s.get("keyed", id=1) == [{"v": 1}]
    postgres.sql("SET client_min_messages = warning; DROP SCHEMA first CASCADE; DROP SCHEMA hidden CASCADE")


def dt_8_a_database_that_restarts_is_come_back_to(database=""):
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, server="request_ms = 1000", database=database) as s:
        assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]
        for how in ("immediate", "fast"):
            resets = s.metrics()["dxdb_resets_total"]
            postgres.stop(how)
            until(lambda: b"the database cannot be reached: " in s.fetch("/healthz")[2])
            begun = time.monotonic()
            assert "the database cannot be reached: " in s.get("user", 503, id=1)["error"]
            assert 0.9 < time.monotonic() - begun < 10
            assert s.fetch("/q/user/describe")[0] == 503
            postgres.start()
            postgres.sql("UPDATE users SET name = '%s' WHERE id = 1" % how)
            until(lambda: s.fetch("/healthz")[0] == 200)
            assert s.get("user", id=1) == [{"id": 1, "name": how}]
            assert s.metrics()["dxdb_resets_total"] >= resets + 2
        assert "the database cannot be reached" in s.said()


class Replica(Postgres):
    """A streaming replica of postgres, which can be promoted."""

    def __init__(self):
        self.bin, self.user, self.place = postgres.bin, postgres.user, tempfile.mkdtemp(prefix="dxdb")
        if self.user:
            os.chown(self.place, self.user["user"], self.user["group"])
        os.chmod(self.place, 0o755)
        self.url = "host=%s user=test dbname=postgres" % self.place
        self.command("pg_basebackup", "-D", self.place + "/data", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", postgres.url)
        self.start()

    def has(self, position):
        return self.sql("SELECT coalesce(pg_last_wal_replay_lsn() >= '%s', false)" % position) == "t"

    def promote(self):
        self.command("pg_ctl", "-D", self.place + "/data", "-w", "promote")


def dt_8_a_replica_takes_over(database=""):
    """The primary is gone at once, and its replica is promoted: nothing that was kept before is given again, writes go on, and who wrote
    before still reads nothing older. A replica that is not promoted yet does not count as the database."""
    postgres.fresh(USERS)
    replica = Replica()
    try:
        writes = {"rename": {"sql": "UPDATE users SET name = $2 WHERE id = $1", "parameters": ["id", "name"]}}
        both = "host=%s,%s user=test dbname=postgres target_session_attrs=read-write" % (postgres.place, replica.place)
        with Server({"user": ONE_USER}, server="request_ms = 500\nworkers = 2", database=database, url=both, writes=writes) as s:
            position = s.post("rename", {"id": 1, "name": "before"})["position"]
            assert s.get("user", id=1) == [{"id": 1, "name": "before"}] and s.get("user", id=2) == [{"id": 2, "name": "user 2"}]
            until(lambda: replica.has(position))
            postgres.stop("immediate")
            try:
                until(lambda: s.fetch("/healthz")[0] == 503)
                for _ in range(5):
                    assert "error" in s.get("user", 503, id=1)
                    time.sleep(0.2)
                replica.promote()
                replica.sql("UPDATE users SET name = 'promoted' WHERE id = 2")
                until(lambda: s.fetch("/healthz")[0] == 200)
                assert s.get("user", id=2) == [{"id": 2, "name": "promoted"}]
                assert json.loads(s.fetch("/q/user?id=1", {"Dx-Position": position})[2]) == [{"id": 1, "name": "before"}]
                for i in range(20):
                    wrote = s.post("rename", {"id": 1, "name": str(i)})["position"]
                    assert json.loads(s.fetch("/q/user?id=1", {"Dx-Position": wrote})[2]) == [{"id": 1, "name": str(i)}]
                replica.sql("UPDATE users SET name = 'later' WHERE id = 2")  # noticed, not only read again
                until(lambda: s.get("user", id=2) == [{"id": 2, "name": "later"}])
                assert s.metrics()["dxdb_up"] == 2
            finally:
                postgres.start()
    finally:
        replica.end()


def dt_8_a_replica_takes_over_by_replication():
    dt_8_a_replica_takes_over(REPLICATED)


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>
static long jump(void)
{
    char text[32] = "";
    FILE *f = fopen(getenv("DX_JUMP"), "r");
    if (f && !fgets(text, sizeof text, f)) text[0] = 0;
    if (f) fclose(f);
    return atol(text);
}
int clock_gettime(clockid_t id, struct timespec *t)
{
    const int result = (int)syscall(SYS_clock_gettime, id, t);
    if (!result && id == CLOCK_REALTIME) t->tv_sec += jump();
    return result;
}
time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *restrict v, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    v->tv_sec = t.tv_sec;
    v->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""


def a_clock_that_jumps_changes_nothing_but_tokens():
    """By years, forwards and back, while requests, followers and refreshes go on: what is kept stays kept, what changes is seen, nobody is
    cut off or limited. A token is judged by the clock as it is."""
    if "asan" in DXDB:
        raise Skip("a preloaded library comes before the sanitizer's")
    postgres.fresh(USERS)
    with open("clock.c", "w") as f:
        f.write(CLOCK)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "clock.c", "-o", "clock.so"], check=True)
    with open("secret", "w") as f:
        f.write("s" * 40)
    auth = '[auth]\nsecret_file = "secret"\n[limit]\nrate = 1000\nburst = 1000\n'
    with open("jump", "w") as f:
        f.write("0")
    os.environ["LD_PRELOAD"], os.environ["DX_JUMP"] = os.path.abspath("clock.so"), os.path.abspath("jump")
    try:
        server = Server({"user": ONE_USER}, ready=False, install=False, database="heartbeat_ms = 500", cache="ttl_s = 3600\n" + auth)
    finally:
        del os.environ["LD_PRELOAD"]
    with server as s:
        subprocess.run([DXDB, "install-triggers", "dxdb.toml"], check=True, stdout=subprocess.DEVNULL)
        lasts = {"Authorization": "Bearer " + token("s" * 40, sub="a", exp=int(time.time()) + 10**9)}
        short = {"Authorization": "Bearer " + token("s" * 40, sub="b", exp=int(time.time()) + 3600)}

        def is_kept():  # /healthz is 200 also before it has noticed the triggers
            before = s.metrics()["dxdb_hits_total"]
            return s.fetch("/q/user?id=1", lasts)[0] == 200 and s.metrics()["dxdb_hits_total"] > before
        for number, seconds in enumerate((86400, -86400, 10**8, -10**8, 40, 0)):
            until(is_kept)
            with open("jump", "w") as f:
                f.write(str(seconds))
            before, up = s.metrics()["dxdb_hits_total"], s.metrics()["dxdb_resets_total"]
            for _ in range(50):
                assert s.fetch("/q/user?id=1", lasts)[0] == 200
            assert s.metrics()["dxdb_hits_total"] >= before + 50, "it was not kept"
            postgres.sql("UPDATE users SET name = 'jump %d' WHERE id = 1" % number)
            until(lambda: b"jump %d" % number in s.fetch("/q/user?id=1", lasts)[2])
            assert s.fetch("/q/user?id=1", short)[0] == (401 if seconds > 3600 else 200), seconds
            time.sleep(1.2)  # some heartbeats
            assert s.metrics()["dxdb_resets_total"] == up and s.metrics()["dxdb_up"] == 1


def dt_8_a_change_while_nobody_listens_is_not_missed(database="", name="dxdb catalog"):
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, database=database) as s:
        for i in range(5):
            s.get("user", id=1)
            postgres.sql("BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s';"
                         "UPDATE users SET name = 'n%d' WHERE id = 1; COMMIT" % (name, i))
            until(lambda: s.metrics()["dxdb_up"] == 0 or s.metrics()["dxdb_resets_total"] >= 3 + 2 * i)
            assert s.get("user", id=1) == [{"id": 1, "name": "n%d" % i}]
            until(lambda: s.metrics()["dxdb_up"] == 1)
            assert s.get("user", id=1) == [{"id": 1, "name": "n%d" % i}]


def dt_8_a_database_that_hangs_is_noticed():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}) as s:
        s.get("user", id=1)
        pid = int(postgres.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'dxdb catalog'"))
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            until(lambda: s.metrics()["dxdb_resets_total"] >= 2)
            assert time.monotonic() - begun < 10
            assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]
        finally:
            os.kill(pid, signal.SIGCONT)


def why_it_is_away_is_said_without_names():
    """Whoever reaches a port sees /healthz: the class of the reason is there, and the names are in the log."""
    postgres.fresh(USERS)
    for change, name, reason in ((("user=test", "user=hidden"), 'role "hidden" does not exist', "it refuses the role"),
                                 (("dbname=postgres", "dbname=hidden"), 'database "hidden" does not exist', "it has no database of this name"),
                                 ((postgres.place, "/hidden"), "/hidden/.s.PGSQL", "there is no connection")):
        with Server({"user": ONE_USER}, install=False, ready=False, server="request_ms = 300", url=postgres.url.replace(*change)) as s, s.hbtp() as client:
            until(lambda: name in s.said())
            want = "the database cannot be reached: " + reason
            assert json.loads(s.fetch("/healthz")[2])["error"] == want
            for path in ("/q/user?id=1", "/q/user/describe"):
                status, _, body = s.fetch(path)
                assert status == 503 and json.loads(body)["error"] == want, body
            for call in ((1, arguments("1")), (0, b"user")):
                assert refusal_of(lambda: client.call(*call, timeout=PATIENCE)) == (503, want)
            status, why = refusal_of(lambda: client.call(255, b"\1\0" + arguments("1"), timeout=PATIENCE))
            assert status == 503 and "hidden" not in why, why
            lines = s.said().splitlines()
            assert lines and all(line.startswith("dxdb: ") for line in lines) and "SQLSTATE" not in s.said() and "28000" not in s.said(), lines
    # The connection of a query that runs, and of the catalog.
    with Server({"slow": "SELECT 1 AS one, pg_sleep(20)"}) as s:
        answer = []
        thread = threading.Thread(target=lambda: answer.append(s.fetch("/q/slow")))
        thread.start()
        until(lambda: s.metrics()["dxdb_pool_running"] == 1)
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dxdb%' AND (application_name = 'dxdb catalog' OR query LIKE '%pg_sleep(20)%')")
        thread.join()
        status, _, body = answer[0]
        assert status == 503 and (b"terminating" in body or b"lost" in body) and postgres.place.encode() not in body and b"LOCATION" not in body, body
        until(lambda: s.fetch("/healthz")[0] == 200)


def it_starts_before_its_database():
    postgres.fresh(USERS)
    write_config("x.toml", {"user": ONE_USER})
    postgres.stop()
    try:
        s = Server({"user": ONE_USER}, install=False, ready=False, server="request_ms = 300")
        assert s.fetch("/healthz")[0] == 503 and s.fetch("/q/user?id=1")[0] == 503
        assert s.fetch("/metrics")[0] == 200
    finally:
        postgres.start()
    with s:
        until(lambda: s.fetch("/healthz")[0] == 200)
        assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]


def dt_2_6_memory_is_bounded():
    """At most `entries` results, the ones that were asked for last, for at most `ttl_s`."""
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, cache="entries = 10\nttl_s = 3") as s:
        before = postgres.runs("one user")
        for i in range(2, 42):
            assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]
            assert s.get("user", id=i) == [{"id": i, "name": "user %d" % i}]
        m = s.metrics()
        # What is asked for again and again stays. It has several parts, each with its share of the entries.
        assert postgres.runs("one user") == before + 41 and 5 <= m["dxdb_cache_entries"] <= 10, m
        assert m["dxdb_cache_evicted_total"] == 41 - m["dxdb_cache_entries"], m
        before = postgres.runs("one user")
        s.get("user", id=41)
        s.get("user", id=1)
        assert postgres.runs("one user") == before, "other results were kept than the last ones"
        s.get("user", id=2)
        assert postgres.runs("one user") == before + 1
        time.sleep(3.1)
        assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}] and postgres.runs("one user") == before + 2
    postgres.fresh("CREATE TABLE t (id int)")
    with Server({"t": {"sql": "SELECT $1::int AS i, repeat('x', 3000) AS x FROM (SELECT count(*) FROM t) n", "parameters": ["i"]}}, cache="bytes = 65536") as s:
        for i in range(40):
            s.get("t", i=i)
        m = s.metrics()
        assert 2 <= m["dxdb_cache_entries"] <= 21 and m["dxdb_cache_bytes"] <= 65536 and m["dxdb_cache_evicted_total"] >= 19, m


def mw_1_5_8_9_every_answer_has_its_time_and_status():
    """On errors, too, from every middleware; names of header fields are compared without case."""
    postgres.fresh(USERS)
    with open("secret", "w") as f:
        f.write("a secret of thirty-two bytes or more")
    queries = {"user": ONE_USER, "fails": "SELECT 1 / count(*) AS a FROM missing"}
    with Server(queries, install=False, server='[auth]\nsecret_file = "secret"\n[limit]\nrate = 9') as s:
        def sent(sub, path, **fields):
            headers = {"aUTHORIZATION": "bEARER " + token("a secret of thirty-two bytes or more", sub=sub, exp=int(time.time()) + 100)} if sub else {}
            return s.fetch(path, headers | {name.replace("_", "-"): value for name, value in fields.items()})
        answers = {200: sent("a", "/q/user?id=1"), 401: sent(None, "/q/user?id=1"), 400: sent("a", "/q/user?id=x"), 404: sent("a", "/q/nothing"),
                   500: sent("a", "/q/fails"), 429: [sent("b", "/q/user?id=1") for _ in range(14)][-1]}
        for status, (found, fields, body) in answers.items():
            assert found == status and re.fullmatch(r"\d+\.\d{3}ms", fields["X-Response-Time"]), (status, found, str(fields))
            assert status == 200 or json.loads(body)["status"] == status
        assert sent("c", "/q/user?id=1", aCCEPT="application/x-dx-teleport")[1]["Content-Type"] == "application/x-dx-teleport"
        with hbtp_as(s, token("a secret of thirty-two bytes or more", sub="d", exp=int(time.time()) + 100)) as client:
            for status, call in ((400, (1, b"")), (404, (99, b"")), (500, (2, b"")), (200, (1, arguments("1")))):
                if status == 200:
                    assert client.call(*call)
                else:
                    refused(status, client, *call)
            for _ in range(14):
                with contextlib.suppress(dx_hbtp.HbtpError):
                    client.call(1, arguments("1"))
            refused(429, client, 1, arguments("1"))


def p18_dt_9_failures_are_not_kept():
    postgres.fresh("CREATE TABLE t (v int); INSERT INTO t VALUES (0)")
    with Server({"f": "SELECT 1 / v AS x FROM t /* failing */"}) as s:
        before = postgres.runs("failing")
        for _ in range(3):
            assert "division" in s.get("f", 400)["error"]
        assert postgres.runs("failing") == before + 3
        # The trigger is enabled as it was, so that no heartbeat sees a difference, and drops what is kept, between the next two requests.
        postgres.sql("BEGIN; ALTER TABLE t DISABLE TRIGGER dxdb_changed; UPDATE t SET v = 1; ALTER TABLE t ENABLE ALWAYS TRIGGER dxdb_changed; COMMIT")
        before = postgres.runs("failing")
        assert s.get("f") == [{"x": 1}] and s.get("f") == [{"x": 1}] and postgres.runs("failing") == before + 1


def nothing_is_injected_and_nothing_written():
    postgres.fresh(USERS + "CREATE TABLE names (name text); INSERT INTO names VALUES ('a')")
    queries = {"by": {"sql": "SELECT name FROM names WHERE name = $1", "parameters": ["name"]},
               "write": "DELETE FROM names RETURNING name", "two": "SELECT 1 AS a; DROP TABLE names"}
    with Server(queries, install=False) as s:
        for text in ("'; DROP TABLE names; --", "' OR '1'='1", "\\'; DELETE FROM names; --", "$1", "a'||'", "\u02bc; DROP TABLE names"):
            assert s.get("by", name=text) == [], text
        assert "read-only" in s.get("write", 500)["error"]
        assert "multiple commands" in s.get("two", 500)["error"]
        assert postgres.sql("SELECT name FROM names") == "a"


def a_full_pool_queues_until_the_deadline():
    postgres.fresh("")
    queries = {"held": {"sql": "SELECT $1::text AS a, (SELECT 1 FROM (SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)) x) AS s",
                        "parameters": ["a"]}, "quick": "SELECT 1 AS a"}
    with Server(queries, database="pool = 1\nwaiting_max = 3", server="request_ms = 2000") as s, Lock() as lock:
        def ask(i):
            until(lambda: i == 0 or s.metrics()["dxdb_pool_running"] == 1)
            begun = time.monotonic()
            status, _, body = s.fetch("/q/held?a=%d" % i)
            return status, time.monotonic() - begun, body
        answers = together(6, ask)
        # The second in the queue may begin, and time out, just when the first one is ended.
        assert answers[0][0] == 504 and answers[0][1] > 1.5 and all(a[0] in (503, 504) for a in answers), answers
        assert len([a for a in answers if b"too many" in a[2]]) == 2 and len([a for a in answers if b"in time" in a[2]]) in (2, 3), answers
        until(lambda: s.fetch("/q/quick")[0] == 200)
        lock.free()
        assert [status for status, _, _ in together(4, lambda i: s.fetch("/q/held?a=%d" % i))] == [200] * 4
        assert s.metrics()["dxdb_pool_running"] == 0


def http_keeps_to_its_rules():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER, "slow": "SELECT 1 AS a, pg_sleep(0.3)::text AS s"}) as s:
        status, fields, body = s.fetch("/q/user?id=1")
        etag = s.fetch("/q/user?id=1")[1]["ETag"]
        assert re.fullmatch(r'"[0-9a-f]{64}"', etag)
        assert s.fetch("/q/user?id=1", {"If-None-Match": 'W/"x", ' + etag})[0::2] == (304, b"")
        assert s.fetch("/q/user?id=1", {"If-None-Match": '"x"'})[0] == 200
        postgres.sql("UPDATE users SET name = 'b' WHERE id = 1")
        until(lambda: s.fetch("/q/user?id=1", {"If-None-Match": etag})[0] == 200)
        head = s.fetch("/q/user?id=2", method="HEAD")
        assert head[0] == 200 and head[2] == b"" and int(head[1]["Content-Length"]) == len(s.fetch("/q/user?id=2")[2])
        assert s.fetch("/q/nothing")[0] == 404 and s.fetch("/nothing")[0] == 404 and s.fetch("/")[0] == 200 and s.fetch("/page.js")[1]["Content-Type"].startswith("text/javascript")
        assert s.fetch("/q/user?id=1", method="POST")[0] == 405
        # Three requests at once, the first of which waits: the answers come in order.
        out = s.raw(b"GET /q/slow HTTP/1.1\r\nHost: x\r\n\r\nGET /q/user?id=3 HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert [int(x) for x in re.findall(rb"HTTP/1.1 (\d+)", out)] == [200, 200, 404] and out.index(b"user 3") > out.index(b'"a":1'), out
        for bad, want in ((b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 400),
                          (b"GET /q/user?id=1 HTTP/1.1\r\nBad Field: 1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 431)):
            out = s.raw(bad)
            assert out.startswith(b"HTTP/1.1 %d" % want) and b"Connection: close" in out, (bad[:40], out[:100])
        pieces = socket.create_connection(s.at["http"], timeout=PATIENCE)
        for byte in b"GET /q/user?id=4 HTTP/1.0\r\n\r\n":
            pieces.send(bytes([byte]))
            time.sleep(0.002)
        assert b"user 4" in pieces.makefile("rb").read()
        pieces.close()
        # Clients that leave while their request waits.
        for _ in range(20):
            with socket.create_connection(s.at["http"]) as gone:
                gone.sendall(b"GET /q/slow HTTP/1.1\r\n\r\n")
        assert s.get("slow")[0]["a"] == 1
        until(lambda: s.metrics()["dxdb_http_connections"] == 1)


def a_client_that_does_not_read_holds_up_nobody():
    postgres.fresh("")
    with Server({"large": "SELECT repeat('x', 500000) AS t", "small": "SELECT 1 AS a"}) as s:
        stuck = socket.create_connection(s.at["hbtp"])
        request = b"".join(struct.pack("<BBHI", 0x30, 4, i, 1) + b"\1" for i in range(1, 60))
        stuck.sendall(request)
        web = socket.create_connection(s.at["http"])
        web.sendall(b"GET /q/large HTTP/1.1\r\n\r\n" * 50)
        for _ in range(10):
            assert s.get("small") == [{"a": 1}]
        with s.hbtp() as client:
            assert len(client.call(1)) > 500000
        # It begins to read, and gets every answer.
        stuck.settimeout(PATIENCE)
        data, answers = b"", 0
        while answers < 59:
            while len(data) < 8 or len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
                more = stuck.recv(1 << 20)
                assert more, "closed after %d answers" % answers
                data += more
            opcode, _, _, size = struct.unpack_from("<BBHI", data)
            assert opcode == 0x31 and size > 500000, (opcode, data[8:8 + min(size, 60)])
            data, answers = data[8 + size:], answers + 1
        stuck.close()
        web.close()


def hbtp_as(server, text):
    """A client whose Hello has a token."""
    return dx_hbtp.Client(*server.at["hbtp"], token=text.encode())


def refused(status, client, method, data):
    try:
        client.call(method, data)
    except dx_hbtp.HbtpError as e:
        assert e.status == status, "status %d instead of %d" % (e.status, status)
        return
    raise AssertionError("it is answered")


def token(secret, alg="HS256", **claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    signed = part(json.dumps({"alg": alg}).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(secret.encode(), signed, "sha256").digest())).decode()


def mw_4_6_only_who_has_a_token_is_answered():
    postgres.fresh(USERS)
    secret = "a secret of thirty-two bytes or more"
    with open("secret", "w") as f:
        f.write(secret + "\n")
    auth = '[auth]\nsecret_file = "secret"\nissuer = "login"\naudience = "dxdb"\n[limit]\nrate = 5\n'
    with Server({"user": ONE_USER}, server=auth) as s:
        now = int(time.time())
        good = token(secret, sub="ann", iss="login", aud="dxdb", exp=now + 100)
        bad = [None, "", "x", good[:-2] + "AA", token("another secret of thirty-two bytes..", iss="login", aud="dxdb", exp=now + 100),
               token(secret, iss="login", aud="other", exp=now + 100), token(secret, iss="other", aud="dxdb", exp=now + 100),
               token(secret, iss="login", aud="dxdb", exp=now - 1), token(secret, iss="login", aud="dxdb"),
               token(secret, alg="none", iss="login", aud="dxdb", exp=now + 100)[:-43], token(secret, iss="login", aud="dxdb", exp=now + 100, nbf=now + 50)]
        why = ["a token is required", "a token is required", "not a JSON Web Token", "not signed", "not signed", "another audience",
               "another issuer", "has expired", "has expired, or has no", "not a JSON Web Token", "not valid yet"]
        assert len(why) == len(bad)
        for one, text in zip(bad, why):
            answer = s.fetch("/q/user?id=1", {"Authorization": "Bearer " + one} if one is not None else {})
            assert answer[0] == 401 and answer[1]["WWW-Authenticate"] == "Bearer" and text in json.loads(answer[2])["error"], (one, answer[2])
            try:
                hbtp_as(s, one or "").close()
                raise AssertionError("the Hello is accepted: %s" % one)
            except dx_hbtp.HbtpError as e:
                assert "401" in e.text and text in e.text, (one, e.text)
        with dx_hbtp.Client(*s.at["hbtp"], hello=False) as client:
            refused(401, client, 1, arguments("1"))
            assert refusal_of(lambda: client.call(0, b"user")) == (401, "a token is required")
        assert s.fetch("/healthz")[0] == 200 and s.fetch("/metrics")[0] == 200
        answer = s.fetch("/q/user?id=1", {"authorization": "bearer " + good})
        assert answer[0] == 200 and answer[1]["X-RateLimit-Limit"] == "5" and answer[1]["X-RateLimit-Remaining"] == "4"
        assert re.fullmatch(r"\d+\.\d{3}ms", answer[1]["X-Response-Time"])
        found = [s.fetch("/q/user?id=1", {"Authorization": "Bearer " + good}) for _ in range(12)]
        assert found[-1][0] == 429 and found[-1][1]["Retry-After"] == "1", found[-1][0]
        # The limit is one of the subject, whatever it speaks, and not of another.
        other = token(secret, sub="bob", iss="login", aud="dxdb", exp=now + 100)
        with hbtp_as(s, good) as client:
            refused(429, client, 1, arguments("1"))
        with hbtp_as(s, other) as client:
            assert client.call(1, arguments("1"))
        # It holds for a connection no longer than the token does.
        short = token(secret, sub="cat", iss="login", aud="dxdb", exp=int(time.time()) + 2)
        with hbtp_as(s, short) as client:
            assert client.call(1, arguments("1"))
            time.sleep(2.1)
            assert refusal_of(lambda: client.call(1, arguments("1"))) == (401, "the token has expired")
    with open("secret", "w") as f:
        f.write("short")
    done = subprocess.run([DXDB, "serve", "dxdb.toml"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 1 and b"the secret is shorter than 32 bytes" in done.stderr, done.stderr


def mw_3_a_stop_runs_the_ends_of_what_began():
    """CORS, time, token, rate and the query begin in this order: a refusal has the fields of what began before it, nothing behind it has
    begun, and a preflight, which the first one answers, costs no token and no rate."""
    postgres.fresh(USERS)
    secret = "a secret of thirty-two bytes or more"
    with open("secret", "w") as f:
        f.write(secret)
    with Server({"user": ONE_USER}, server='origins = ["https://app.example"]\n[auth]\nsecret_file = "secret"\n[limit]\nrate = 2\n') as s:
        exp = int(time.time()) + 100
        bearer = "Bearer " + token(secret, sub="ann", exp=exp)
        before, seen = postgres.runs("one user"), collections.Counter()

        def ask(place, method="GET", **fields):
            answer = s.fetch("/q/user?id=%d" % place, {"Origin": "https://app.example"} | fields, method)
            status, got = answer[0], answer[1]
            assert got["Access-Control-Allow-Origin"] == "https://app.example" and re.fullmatch(r"\d+\.\d{3}ms", got["X-Response-Time"]), (status, str(got))
            assert (got["X-RateLimit-Remaining"] is not None) == (status in (200, 429)), (status, str(got))
            seen[status] += 1
            return status
        for i in range(20):  # stopped before the rate: it spends nothing of it
            assert ask(1, Authorization="Bearer " + token("another secret of thirty-two bytes..", sub="ann", exp=exp)) == 401
            assert ask(1, "OPTIONS", **{"Access-Control-Request-Method": "GET"}) == 204
        assert ask(1, Authorization=bearer) == 200 and postgres.runs("one user") == before + 1
        until(lambda: ask(1 + sum(seen.values()) % 90, Authorization=bearer) == 429)
        assert postgres.runs("one user") == before + seen[200], seen  # a query for each that was let in, and no other


def mw_2_the_chain_has_no_indirect_call():
    object_file = os.path.join(top, "build/obj/programs/dxdb/hbtp.o")
    if not shutil.which("objdump") or not os.path.exists(object_file):
        raise Skip("needs objdump and build/dxdb")
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", object_file], stdout=subprocess.PIPE, check=True).stdout.decode()
    for name in ("guarded_query", "guarded_describe"):
        body = re.search(r"<%s>:\n(.*?)\n\n" % name, code + "\n\n", flags=re.S)
        assert body, "there is no function %s" % name
        assert not re.search(r"\b(call|jmp)q? +\*", body[1]) and "guarded" not in re.sub(r"<guarded_\w+\+0x\w+>", "", body[1]), name
        assert not re.search(r"<(auth|rate)_(before|after)", body[1]), name


def mw_7_pages_of_other_origins_may_read():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, server='origins = ["https://app.example"]\n[limit]\nrate = 1000') as s:
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None), (None, None)):
            fields = s.fetch("/q/user?id=1", {"Origin": origin} if origin else {})[1]
            assert fields["Access-Control-Allow-Origin"] == allowed and "Origin" in ", ".join(fields.get_all("Vary")), origin
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        status, fields, body = s.fetch("/q/user?id=1", asked, method="OPTIONS")
        assert status == 204 and body == b"" and "GET" in fields["Access-Control-Allow-Methods"] and fields["Access-Control-Max-Age"] == "600"
        assert s.fetch("/q/user?id=1", {"Origin": "https://evil.example"}, method="OPTIONS")[0] == 405


def several_workers_are_one_server():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, server="workers = 3") as s:
        until(lambda: s.metrics()["dxdb_up"] == 3)
        assert s.metrics()["dxdb_pool_connections"] == 12
        for v in range(3):
            for _ in range(20): # each on a connection, and so on a worker, of its own
                assert s.get("user", id=1) == [{"id": 1, "name": "user 1" if not v else "v%d" % v}]
            told = s.metrics()["dxdb_notifications_total"]
            postgres.sql("UPDATE users SET name = 'v%d' WHERE id = 1" % (v + 1))
            until(lambda: s.metrics()["dxdb_notifications_total"] == told + 3)
        m = s.metrics()
        assert 3 <= m["dxdb_loads_total"] <= 9 and m["dxdb_loads_total"] + m["dxdb_hits_total"] == 60, m
        postgres.stop()
        postgres.start()
        until(lambda: s.metrics()["dxdb_up"] == 3)
        assert s.get("user", id=1) == [{"id": 1, "name": "v3"}]


def each_backend_does_it():
    postgres.fresh(USERS)
    for backend in ("epoll", "io_uring"):
        try:
            s = Server({"user": ONE_USER}, options=("--backend", backend), ready=False)
        except (IndexError, ValueError):
            with open("dxdb.log") as f:
                raise Skip("%s: %s" % (backend, f.read().strip()))
        with s:
            until(lambda: s.fetch("/healthz")[0] == 200)
            assert s.get("user", id=1) == s.get("user", id=1) == [{"id": 1, "name": backend if backend != "epoll" else "user 1"}]
            postgres.sql("UPDATE users SET name = 'io_uring' WHERE id = 1")
            until(lambda: s.get("user", id=1) == [{"id": 1, "name": "io_uring"}])
            postgres.stop()
            until(lambda: s.fetch("/healthz")[0] == 503)
            postgres.start()
            until(lambda: s.fetch("/healthz")[0] == 200)


WIDE = ("CREATE TABLE t (id int PRIMARY KEY, v int, filler text);"
        "INSERT INTO t SELECT i, 0, md5(i::text) FROM generate_series(1, 100) i")
ALL = "SELECT * FROM t ORDER BY id /* followed */"


def a_subscriber_gets_patches():
    postgres.fresh(WIDE)
    some = {"sql": "SELECT id, v FROM t WHERE v = $1 ORDER BY id", "parameters": ["v"]}
    with Server({"all": ALL, "some": some}) as s, Follower("all") as all_, Follower("some", "5") as few:
        all_.connect(s)
        few.connect(s)
        until(lambda: all_.status == 200 and few.status == 200)
        assert len(all_.now()) == 100 and few.now() == []
        for id_ in (7, 8, 7):
            postgres.sql("UPDATE t SET v = v + 5 WHERE id = %d" % id_)
        until(lambda: all_.now()[6]["v"] == 10 and all_.now()[7]["v"] == 5)
        until(lambda: few.now() == [{"id": 8, "v": 5}])
        assert all_.patches and all_.frames - all_.patches == 1, (all_.frames, all_.patches)
        postgres.sql("DELETE FROM t WHERE id > 50; INSERT INTO t VALUES (0, 1, NULL)")
        until(lambda: len(all_.now()) == 51 and all_.now()[0]["filler_null"])
        assert all_.rows() == [{"id": r["id"], "v": r["v"], "filler": r["filler"] or "", "filler_null": r["filler"] is None} for r in s.get("all")]
        frames = all_.frames
        postgres.sql("UPDATE t SET v = v; TRUNCATE t; ROLLBACK") if False else postgres.sql("BEGIN; UPDATE t SET v = 9; ROLLBACK; UPDATE t SET v = v")
        postgres.sql("INSERT INTO t VALUES (200, 1, 'last')")
        until(lambda: len(all_.now()) == 52)
        assert all_.frames == frames + 1, "what changes nothing is sent"
        positions = [entry[0] for entry in all_.history]
        assert positions == sorted(positions) and positions[-1] > positions[0]
        m = s.metrics()
        assert m["dxdb_followed"] == 2 and m["dxdb_subscriptions"] == 2 and m["dxdb_patches_total"] >= all_.patches, m
        client = all_.client
        for bad, status in ((b"", 400), (b"\1", 400), (b"\1\2", 400), (b"\1\0x", 400), (b"\1\1" + bytes(23), 400), (b"\2\0", 400),
                            (b"\x09\0", 404)):
            assert refusal_of(lambda: client.call(255, bad))[0] == status, bad
        assert refusal_of(lambda: client.call(255, b"\2\0" + arguments("abc")))[0] == 400
        assert refusal_of(lambda: client.subscribe(999, lambda *_: None))[0] == 404


def a_subscriber_comes_back_and_has_missed_nothing():
    postgres.fresh(WIDE)
    with Follower("all") as f:
        with Server({"all": ALL}) as s:
            f.connect(s)
            until(lambda: f.status == 200)
            postgres.sql("UPDATE t SET v = 1 WHERE id = 1")
            until(lambda: f.now()[0]["v"] == 1)
            frames = f.frames
            f.connect(s)                       # the same server: nothing is sent
            postgres.sql("UPDATE t SET v = 2 WHERE id = 1")
            until(lambda: f.now()[0]["v"] == 2)
            assert f.frames == frames + 1 and f.patches == 2, (f.frames, f.patches)
            f.close()
            postgres.sql("UPDATE t SET v = 3 WHERE id = 1")
            f.connect(s)
            until(lambda: f.now()[0]["v"] == 3)
            f.close()
        with Server({"all": ALL}) as s:        # another run, and what it has is known by its checksum
            frames = f.frames
            f.connect(s)
            assert f.kept == 1
            postgres.sql("UPDATE t SET v = 4 WHERE id = 1")
            until(lambda: f.now()[0]["v"] == 4)
            assert f.frames == frames + 1 and f.patches == 4, (f.frames, f.patches)
            f.close()
        postgres.sql("UPDATE t SET v = 5 WHERE id = 1")
        with Server({"all": ALL}) as s:
            f.connect(s)
            until(lambda: f.now()[0]["v"] == 5)
            assert f.kept == 1
            for how in ("immediate", "fast"):
                postgres.stop(how)
                until(lambda: f.status == 503)
                assert f.rows()[0]["v"] >= 5       # the last that was known
                postgres.start()
                postgres.sql("UPDATE t SET v = v + 1 WHERE id = 1")
                until(lambda: f.now() and f.now()[0]["v"] == {"immediate": 6, "fast": 7}[how])


def a_change_of_the_schema_ends_a_subscription():
    postgres.fresh(WIDE + "; CREATE TABLE u (a int)")
    with Server({"all": ALL, "some": "SELECT id, v FROM t ORDER BY id", "u": "SELECT a FROM u"}) as s, Follower("all") as f, \
            Follower("some") as g, Follower("u") as u:
        for one in (f, g, u):
            one.connect(s)
        until(lambda: f.status == g.status == u.status == 200)
        postgres.sql("ALTER TABLE t ADD COLUMN more int DEFAULT 3")
        until(lambda: f.ended)
        assert f.ended[0] == 410 and "schema has changed" in f.ended[1], f.ended
        f.ended, f.record = None, None
        f.connect(s)
        until(lambda: f.now() and f.now()[0]["more"] == 3)
        postgres.sql("UPDATE t SET v = 1 WHERE id = 1")
        until(lambda: g.now() and g.now()[0]["v"] == 1)  # its columns are the same: it goes on
        assert not g.ended, g.ended
        postgres.sql("ALTER TABLE u DISABLE TRIGGER dxdb_changed")
        until(lambda: u.ended)
        assert u.ended[0] == 409 and "trigger" in u.ended[1], u.ended
        assert refusal_of(lambda: u.watch(3))[0] == 409
        postgres.sql("DROP TABLE t CASCADE")
        until(lambda: g.ended)
        assert g.ended[0] == 500 and "does not exist" in g.ended[1], g.ended
        assert s.metrics()["dxdb_ended_total"] == 4


def a_followed_result_that_fails_ends():
    postgres.fresh("CREATE TABLE t (v int, x text); INSERT INTO t VALUES (1, 'a')")
    queries = {"divided": "SELECT 1 / v AS a FROM t", "large": "SELECT repeat(x, 1000) AS x FROM t", "x": {"sql": "SELECT x FROM t WHERE v < $1", "parameters": ["v"]}}
    with Server(queries, server="result_max = 2000", cache="[subscribe]\nstates = 3") as s, Follower("divided") as d, Follower("large") as l, \
            Follower("x", "9") as x, Follower("x", "10") as y:
        for one in (d, l, x):
            one.connect(s)
        until(lambda: d.status == l.status == x.status == 200)
        assert "states" in refusal_of(lambda: y.connect(s))[1]
        postgres.sql("UPDATE t SET v = 0, x = 'aaa'")
        until(lambda: d.ended and l.ended and x.now() == [{"x": "aaa", "x_null": False}])
        assert d.ended[0] == 400 and "division by zero" in d.ended[1], d.ended
        assert l.ended[0] == 413 and "result_max" in l.ended[1], l.ended


def one_query_and_one_patch_serve_all_subscribers():
    """The same for one and for many: queries, patches and wholes of the database's side do not grow with the subscribers."""
    postgres.fresh(WIDE)
    query = {"sql": "SELECT * FROM t WHERE id > $1 ORDER BY id /* shared */", "parameters": ["id"]}
    many = 300
    with Server({"all": query}, server="connections = 1024") as s:
        sockets = [Raw(s) for _ in range(many)]
        try:
            cost = {}
            for count in (1, many):
                for one in sockets[:count]:
                    one.follow(1, arguments("0")) if not one.number else None
                runs, m = postgres.runs("shared"), s.metrics()
                postgres.sql("UPDATE t SET v = v + 1 WHERE id = 9")
                for one in sockets[:count]:
                    one.change()
                cost[count] = (postgres.runs("shared") - runs, s.metrics()["dxdb_patches_total"] - m["dxdb_patches_total"],
                               s.metrics()["dxdb_sent_patches_total"] - m["dxdb_sent_patches_total"])
            assert cost == {1: (1, 1, 1), many: (1, 1, many)}, cost
            assert s.metrics()["dxdb_followed"] == 1
        finally:
            for one in sockets:
                one.close()


class Raw:
    """A subscriber without a thread, which reads only when told."""

    def __init__(self, server, receive=None, socket=None):
        self.socket = socket or self.connect(server, receive)
        self.input, self.number, self.sequence = b"", 0, 0

    def connect(self, server, receive):
        made = socket.socket()
        if receive:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        made.settimeout(PATIENCE)
        made.connect(server.at["hbtp"])
        return made

    def send(self, opcode, payload):
        self.sequence += 1
        self.socket.sendall(struct.pack("<BBHI", opcode, 4, self.sequence, len(payload)) + payload)

    def frame(self):
        """opcode, payload"""
        while len(self.input) < 8 or len(self.input) < 8 + struct.unpack_from("<I", self.input, 4)[0]:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.input += more
        opcode, _, _, size = struct.unpack_from("<BBHI", self.input)
        payload, self.input = self.input[8:8 + size], self.input[8 + size:]
        return opcode, payload

    def answer(self):
        opcode, payload = self.frame()
        assert opcode == dx_hbtp.RESPONSE, (opcode, payload)
        return payload

    def follow(self, method, parameters):
        self.send(dx_hbtp.CALL, bytes([255, method, 0]) + parameters)
        self.number = struct.unpack_from("<I", self.answer())[0]
        self.send(dx_hbtp.STATE_SUBSCRIBE, struct.pack("<IQQ", self.number, 0, 0))
        self.answer()
        assert self.change() == dx_hbtp.STATE_SYNC

    def change(self):
        opcode, payload = self.frame()
        assert opcode in (dx_hbtp.STATE_SYNC, dx_hbtp.STATE_DELTA) and struct.unpack_from("<I", payload)[0] == self.number
        return opcode

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def a_subscriber_that_does_not_read_holds_up_nobody():
    """What it misses is one frame later; if it never reads, it is closed with a reason. The server's memory does not grow."""
    rounds = 30
    postgres.fresh("CREATE TABLE t (v int, filler bytea); INSERT INTO t VALUES (0, '');"
                   "CREATE TABLE blobs AS SELECT i, string_agg(decode(md5(i * 100000 + j || ''), 'hex'), '') AS b"
                   " FROM generate_series(1, %d) i, generate_series(1, 16000) j GROUP BY i" % rounds)
    with Server({"t": "SELECT * FROM t"}, server="result_max = 300000") as s, \
            Server({"t": "SELECT * FROM t"}, name="strict", install=False, cache="[subscribe]\nlag_ms = 1000", server="result_max = 300000") as strict:
        quick, slow, quick_too, silent = Raw(s), Raw(s), Raw(strict), Raw(strict, 4096)
        writer = subprocess.Popen(["psql", "-Xq", "-d", postgres.url], stdin=subprocess.PIPE)
        for one in (quick, slow, quick_too, silent):
            one.follow(1, b"")

        def next_of(one):
            """The version of its next frame, and the record. Random bytes have no shorter patch, and versions apart no patch at all."""
            opcode, payload = one.frame()
            assert opcode == dx_hbtp.STATE_SYNC, opcode
            return struct.unpack_from("<Q", payload, 12)[0], payload[36:]
        for i in range(1, rounds + 1):
            writer.stdin.write(b"UPDATE t SET v = i, filler = b FROM blobs WHERE i = %d;\n" % i)
            writer.stdin.flush()
            assert next_of(quick_too)[0] == next_of(quick)[0] == i + 1  # in this order: quick_too must not lag
        writer.stdin.close()
        writer.wait()
        seen = [next_of(slow)]
        while seen[-1][0] <= rounds:
            seen.append(next_of(slow))
        versions = [version for version, _ in seen]
        assert versions == sorted(set(versions)) and len(seen) < rounds, versions
        assert seen[-1][1] == s.fetch("/q/t", {"Accept": "application/x-dx-teleport"})[2]
        until(lambda: strict.metrics()["dxdb_lagging_total"] == 1)
        assert s.metrics()["dxdb_subscriptions"] == 2 and strict.metrics()["dxdb_subscriptions"] == 1
        text = b""
        with contextlib.suppress(EOFError):
            while True:
                opcode, payload = silent.frame()
                text = payload if opcode == dx_hbtp.CLOSE else text
        assert struct.unpack_from("<H", text)[0] == 408 and b"does not read" in text, text
        for one in (quick, slow, quick_too, silent):
            one.close()


def a_change_goes_to_many_at_once():
    """More subscribers of one result than there are shared blocks of output."""
    postgres.fresh(WIDE)
    with Server({"t": ALL}, server="connections = 1000") as s:
        many = []
        for _ in range(800):
            many.append(Raw(s))
            many[-1].follow(1, b"")
        for v in (1, 2):
            postgres.sql("UPDATE t SET v = %d WHERE id = 7" % v)
            for one in many:
                assert one.change() == dx_hbtp.STATE_DELTA
        assert s.metrics()["dxdb_subscriptions"] == len(many) and s.metrics()["dxdb_patches_total"] == 2
        for one in many:
            one.close()


LARGE = ("CREATE TABLE t (id int PRIMARY KEY, b bytea); INSERT INTO t SELECT i, '' FROM generate_series(1, %d) i;"
         "CREATE FUNCTION noise(n int, seed int) RETURNS bytea LANGUAGE sql AS $$"
         "SELECT string_agg(decode(md5(seed * 1000003 + j || ''), 'hex'), '') FROM generate_series(1, n / 16) j $$;")


def a_patch_of_a_large_record_holds_up_nobody():
    """Random bytes are the worst case: the patch takes 0.1 s for each megabyte, and is not used. Requests are answered meanwhile."""
    postgres.fresh("SELECT 1;" + LARGE % 1)
    with Server({"t": "SELECT id, b FROM t"}, server="result_max = 8000000\nrequest_ms = 20000") as s, Raw(s) as follower, s.hbtp() as client:
        follower.follow(1, b"")
        stalls = []
        for i in range(3):
            postgres.sql("UPDATE t SET b = noise(3500000, %d)" % i)
            begun, stop, gaps = time.monotonic(), [], []

            def ask():
                while not stop:
                    at = time.monotonic()
                    assert json.loads(client.call(0, b"t"))["query"] == "t"
                    gaps.append(time.monotonic() - at)
            asking = threading.Thread(target=ask)
            asking.start()
            assert follower.change() == dx_hbtp.STATE_SYNC  # no patch is shorter
            stop.append(1)
            asking.join()
            if i:
                stalls.append(max(gaps) / (time.monotonic() - begun))
        # The first record before is small. What remains is the time that the record itself takes.
        assert min(stalls) < 0.5, stalls


def large_records_are_patched_in_order():
    """Whatever happens while a patch is being made: subscribers come and go, more changes, a restart of the database, another schema."""
    rows = 600
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, v int, filler text);"
                   "INSERT INTO t SELECT i, 0, md5(i::text) || md5(-i || '') FROM generate_series(1, %d) i" % rows)
    with Server({"t": "SELECT id, v, filler FROM t ORDER BY id"}, server="result_max = 2000000") as s:
        with Follower("t").connect(s) as f, Follower("t").connect(s) as other:
            until(lambda: f.now() and other.now())
            for v in range(1, 10):
                postgres.sql("UPDATE t SET v = %d WHERE id %% 100 = %d" % (v, v % 3))
                if v % 4 == 0:
                    other.close()
                    other.connect(s)
                if v % 3 == 0:
                    until(lambda: max(row["v"] for row in f.now() or [{"v": -1}]) == v)
            until(lambda: max(row["v"] for row in other.now() or [{"v": -1}]) == 9)
            seen = [max(row["v"] for row in rows) for _, _, rows in f.history]
            assert seen == sorted(seen) and f.patches >= 3 and s.metrics()["dxdb_patches_total"] >= 3, (seen, f.patches)
            truth = json.loads(postgres.sql("SELECT json_agg(json_build_array(id, v) ORDER BY id) FROM t"))
            assert [[row["id"], row["v"]] for row in f.now()] == truth
            for v in (16, 17):  # the database goes away within the load or the patch
                postgres.sql("UPDATE t SET v = %d WHERE id = 7" % v)
                time.sleep(0.002 * (v - 16))
                postgres.stop("immediate")
                postgres.start()
                until(lambda: (f.now() or [{}] * 7)[6].get("v") == v)
            postgres.sql("UPDATE t SET v = 50 WHERE id = 7; ALTER TABLE t ALTER v TYPE bigint")
            until(lambda: f.ended)
            assert f.ended[0] == 410, f.ended
        # It ends while patches are being made.
        with Follower("t").connect(s) as f:
            until(lambda: f.now())
            for v in range(60, 70):
                postgres.sql("UPDATE t SET v = %d" % v)


def certificate(name):
    """Files NAME.pem and NAME.key, and a context of a client that trusts no other."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", name + ".key", "-out", name + ".pem"], check=True, stderr=subprocess.DEVNULL)
    return ssl.create_default_context(cafile=name + ".pem")


TLS = 'tls_cert = "a.pem"\ntls_key = "a.key"\n'


class Secured(Server):
    """A server with TLS, asked by a client that checks its certificate."""
    context = None

    def secure(self, protocol="http", context=None, receive=None):
        plain = socket.socket()
        if receive:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        plain.settimeout(PATIENCE)
        plain.connect(self.at[protocol])
        return (context or self.context).wrap_socket(plain, server_hostname="localhost")

    def fetch(self, path, headers={}, method="GET", body=None, context=None):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.secure(context=context)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body


LONG_ANSWER = {"sql": "SELECT repeat('x', 30000) AS t FROM users WHERE id = 1 AND $1 <> ''", "parameters": ["p"]}


def asks_more_than_is_kept(c, method):
    """Requests that do not fit into what lies between, and neither do their answers. The client reads all the time, so all of it must
    pass. A socket that does not block; the answer is in the cache."""
    out, got, count = bytearray(), bytearray(), 1000
    out += (struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 1 + 904) + bytes([method]) + arguments("p" * 900)) * count
    sizes, end = [], time.monotonic() + PATIENCE
    while len(sizes) < count:
        assert time.monotonic() < end, (len(out), len(got), len(sizes))
        moved = False
        for work in (lambda: out.__delitem__(slice(0, c.send(out[:65536]))) if out else None, lambda: got.extend(c.recv(1 << 20))):
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                work()
                moved = True
        if not moved:
            time.sleep(0.001)
        while len(got) >= 8 and len(got) >= 8 + struct.unpack_from("<I", got, 4)[0]:
            sizes.append((got[0], struct.unpack_from("<I", got, 4)[0]))
            del got[:8 + sizes[-1][1]]
    assert len(set(sizes)) == 1 and sizes[0][0] == dx_hbtp.RESPONSE and sizes[0][1] > 30000, collections.Counter(sizes)


def its_version_names_the_library_of_tls():
    said = subprocess.run([DXDB, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert re.fullmatch(r"dxdb \d+\.\d+\.\d+ \((wslay [^ ,]+|no wslay), OpenSSL \d+\.\d+\.\d+[^),]*, toml\+\+ \d+\.\d+\.\d+\)\n", said), said
    if shutil.which("ldd") and "libssl" in (linked := subprocess.run(["ldd", DXDB], stdout=subprocess.PIPE).stdout.decode()):
        assert "libssl.so." + re.search(r"OpenSSL (\d+)", said)[1] in linked, (said, linked)


def tls_carries_both_protocols():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    postgres.fresh(USERS)
    queries = {"user": ONE_USER, "large": "SELECT string_agg(md5(i::text), '') AS t FROM generate_series(1, 30000) i", "wide": LONG_ANSWER}
    with Secured(queries, server=TLS + "result_max = 4000000\n[limit]\nrate = 5000", writes=WRITES | {"move": WRITES["set"]}) as s:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile="a.pem")
            context.minimum_version = context.maximum_version = version
            assert json.loads(s.fetch("/q/user?id=1", context=context)[2]) == [{"id": 1, "name": "user 1"}]
        want = "".join(hashlib.md5(b"%d" % i).hexdigest() for i in range(1, 30001))
        assert s.get("large") == [{"t": want}]
        at = s.post("set", {"id": 1, "name": "over TLS"})["position"]
        answer = s.fetch("/q/user?id=1", {"Dx-Position": at})
        assert json.loads(answer[2])[0]["name"] == "over TLS" and answer[1]["X-RateLimit-Limit"] == "5000"
        # One after the other on a connection; then the end of the client's side, before the answers.
        with s.secure() as c:
            c.sendall(b"GET /q/user?id=2 HTTP/1.1\r\n\r\nGET /q/large HTTP/1.1\r\n\r\nGET /q/user?id=3 HTTP/1.1\r\nConnection: close\r\n\r\n")
            out = c.makefile("rb").read()
        assert out.count(b"HTTP/1.1 200 OK") == 3 and want.encode() in out and out.index(b"user 2") < out.index(b"user 3")
        for command in (["curl", "-sS", "--cacert", "a.pem", "--connect-to", "localhost:443:127.0.0.1:%d" % s.at["http"][1], "https://localhost/q/user?id=4"],
                        ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", "a.pem", "-connect", "127.0.0.1:%d" % s.at["http"][1]]):
            if shutil.which(command[0]):
                done = subprocess.run(command, input=b"GET /q/user?id=4 HTTP/1.0\r\n\r\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
                assert b"user 4" in done.stdout, (command[0], done)
        with Raw(s, socket=s.secure("hbtp")) as many:
            many.follow(s.methods["user"], arguments("5"))
            for i in range(3):
                postgres.sql("UPDATE users SET name = '%s' WHERE id = 5" % ("changed" + "." * i))
                many.change()
            for i in range(200):
                many.send(dx_hbtp.CALL, bytes([s.methods["user"]]) + arguments("5"))
            assert all(b"changed.." in many.answer() for _ in range(200))
        # A client that does not read: its output waits, and others are answered.
        with s.secure(receive=4096) as slow:
            slow.sendall(b"GET /q/large HTTP/1.1\r\n\r\n" * 8)
            for _ in range(5):
                assert s.get("user", id=6)
            stream = slow.makefile("rb")
            for _ in range(8):
                head = b"".join(iter(stream.readline, b"\r\n"))
                assert json.loads(stream.read(int(re.search(rb"Content-Length: (\d+)", head)[1]))) == [{"t": want}]
            stream.close()
        s.get("wide", p="p" * 900)
        with s.secure("hbtp") as c:
            c.setblocking(False)
            asks_more_than_is_kept(c, s.methods["wide"])
        # Another certificate.
        other = certificate("b")
        shutil.copy("b.pem", "a.pem")
        shutil.copy("b.key", "a.key")
        s.process.send_signal(signal.SIGHUP)
        assert b"loaded" in [s.process.stdout.readline() for _ in range(2)][-1]
        until(lambda: s.fetch("/healthz", context=other)[0] == 200)
        Secured.context = other
        shutil.copy("b.pem", "a.key")  # no key: everything stays as it is
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "a.key" in s.said())
        assert s.fetch("/healthz")[0] == 200
    done = subprocess.run([DXDB, "serve", "dxdb.toml"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 1 and b"a.key" in done.stderr, done.stderr


def block_of_the_readme(language):
    with open(os.path.join(top, "programs/dxdb/README.md")) as f:
        return re.search("```%s\n(.*?)```" % language, f.read(), flags=re.S)[1]


CLIENTS = os.path.join(top, "examples/clients")
LANGUAGES = {"python": ([sys.executable, "-c"], lambda code: code, '"127.0.0.1", 7010'),
             "js": (["node", "--input-type=module", "-e"], lambda code: code.replace("./dxdb.mjs", "file://" + CLIENTS + "/dxdb.mjs"), '"127.0.0.1", 7010')}


def run_client(language, at, code, more=""):
    """The client at this address, with more arguments; what it has printed."""
    command, adapted, address = LANGUAGES[language]
    code = adapted(code).replace(address, '"%s", %d%s' % (*at, more))
    done = subprocess.run([*command, code], env=os.environ | {"PYTHONPATH": CLIENTS, "PYTHONDONTWRITEBYTECODE": "1"},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def rows_printed(language, names):
    form = "[{'id': 7, 'name': '%s'}]" if language == "python" else "[ { id: 7, name: '%s' } ]"
    return [form % name for name in names]


def each_query_has_metrics():
    postgres.fresh(USERS)
    names = ["user", "slow", "bad", "never"] + ["a_name_as_long_as_the_configuration_allows_it_to_be_%011d" % i for i in range(122)]
    queries = {"user": ONE_USER, "slow": "SELECT pg_sleep(0.4)::text AS t", "bad": {"sql": "SELECT 1 / $1::int AS v", "parameters": ["v"]}}
    queries |= {name: "SELECT 1 AS v" for name in names[3:]}
    with Server(queries, server="workers = 2") as s:
        def of(query):
            body = s.fetch("/metrics")[2].decode()
            return {kind: float(value) for kind, value in re.findall(r'^dxdb_query_(\w+){query="%s"} ([\d.]+)$' % query, body, flags=re.M)}
        s.get("slow")
        s.get("bad", 400, v=0)
        s.get("bad", 400, v="x")
        s.get("bad", v=1)
        with s.hbtp() as client:
            for _ in range(9):
                client.call(s.methods["user"], arguments("7"))
            with Follower("user", "8").connect(s) as f:
                until(f.now)
        time.sleep(0.3)  # until both workers have told theirs
        found = of("user")
        assert found["requests_total"] == found["hits_total"] + found["misses_total"] == 10, found
        assert found["misses_total"] == found["runs_total"] == 2 and found["errors_total"] == 0, found
        found = of("slow")
        assert (found["requests_total"], found["hits_total"], found["runs_total"]) == (1, 0, 1) and 0.4 <= found["seconds_total"] < 5, found
        found = of("bad")
        assert (found["requests_total"], found["misses_total"], found["errors_total"]) == (3, 3, 2), found
        assert set(of(names[-1]).values()) == {0.0} and len(of(names[-1])) == 6
        assert len(re.findall(r"^dxdb_query_hits_total{", s.fetch("/metrics")[2].decode(), flags=re.M)) == len(names)
        # The queries of another configuration have none of the former ones.
        write_config("dxdb.toml", {"first": "SELECT 1 AS v", **queries}, server="workers = 2")
        s.process.send_signal(signal.SIGHUP)

        def loaded():
            with contextlib.suppress(ConnectionError):  # a request that comes while it ends is cut off
                return s.fetch("/healthz")[0] == 200 and of("first")
        until(loaded)
        assert set(of("first").values()) == set(of("user").values()) == {0.0}, (of("first"), of("user"))


def the_examples_of_the_readme_run(server="", protocol=Server, more={}):
    """As they are shown, but for the port and the certificates."""
    for language in LANGUAGES:
        if language == "js" and not shutil.which("node"):
            continue
        postgres.fresh(USERS.replace("(1, 100)", "(1, 6)") + "INSERT INTO users VALUES (7, 'Ann')")
        writes = {"rename": {"sql": "UPDATE users SET name = $2 WHERE id = $1", "parameters": ["id", "name"]}}
        with protocol({"user": ONE_USER}, server=server, writes=writes) as s:
            status, said, wrong = run_client(language, s.at["hbtp"], block_of_the_readme(language), more.get(language, ""))
            found = rows_printed(language, ("Ann", "Bea", "Bea", "Cid"))
            assert (status, said.splitlines(), wrong) == (0, [*found[:2], "400", *found[2:]], ""), (language, status, said, wrong)


def the_examples_of_the_readme_run_over_tls():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    the_examples_of_the_readme_run(TLS, Secured, {"python": ', ca="a.pem", server_name="localhost"',
                                                  "js": ', {tls: {caFile: "a.pem", serverName: "localhost"}}'})


def clients_refuse_a_bad_certificate():
    """Of an authority that they do not trust, of another name, or none at all."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    certificate("b")
    postgres.fresh(USERS)
    code = {"python": 'from dxdb import Database, HbtpError\ntry:\n    print(Database("127.0.0.1", 7010).get("user", 1))\nexcept HbtpError as e:\n    print(e)',
            "js": 'import {open} from "./dxdb.mjs";\nawait open("127.0.0.1", 7010).then(async (db) => { console.log(await db.get("user", 1)); db.close(); }, (error) => console.log(error.message));'}
    tls = {"python": lambda ca, name: ", tls=True" + (', ca="%s"' % ca if ca else "") + (', server_name="%s"' % name if name else ""),
           "js": lambda ca, name: ", {tls: {" + ", ".join(['caFile: "%s"' % ca] * bool(ca) + ['serverName: "%s"' % name] * bool(name)) + "}}"}
    with Secured({"user": ONE_USER}, server=TLS) as s:
        for language in LANGUAGES:
            if language == "js" and not shutil.which("node"):
                continue

            def said(ca, name, at="hbtp"):
                status, out, wrong = run_client(language, s.at[at], code[language], tls[language](ca, name))
                assert status == 0 and not wrong, (language, status, out, wrong)
                return out
            assert "user 1" in said("a.pem", "localhost")
            for ca, name, why in (("b.pem", "localhost", "self-signed"), (None, "localhost", "self-signed"), ("a.pem", "db.example", "db.example"),
                                  ("a.pem", None, "127.0.0.1")):
                out = said(ca, name)
                assert "certificate of %s was refused" % (name or "127.0.0.1") in out and why in out.replace("self signed", "self-signed"), (language, ca, name, out)
    with Server({"user": ONE_USER}) as s:  # one without TLS
        for language in LANGUAGES:
            if language == "python" or shutil.which("node"):
                status, out, wrong = run_client(language, s.at["hbtp"], code[language], tls[language]("a.pem", "localhost"))
                assert status == 0 and not wrong and "no TLS with localhost" in out, (language, status, out, wrong)


EVERYTHING = ("SELECT true AS b, 5::smallint AS s, 7 AS i, 9007199254740993::bigint AS l, 0.5::real AS r, 1.25::float8 AS d, 12.30::numeric AS n, 'text' AS t,"
              " NULL::text AS none, NULL::int AS no, DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29 12:34:56.789' AS at, TIMESTAMPTZ '2024-02-29 12:34:56.789Z' AS utc,"
              " 'infinity'::timestamp AS ever, TIME '01:02:03' AS hour, '00112233-4455-6677-8899-aabbccddeeff'::uuid AS u, '\\x01ff'::bytea AS raw,"
              " '{\"a\": [1, null]}'::jsonb AS j, ARRAY[1, NULL, 3] AS list, ARRAY['x', NULL] AS texts")


def clients_decode_every_type():
    postgres.fresh(USERS)
    with Server({"all": EVERYTHING}) as s:
        code = 'from dxdb import Database\nprint(list(Database("127.0.0.1", 7010).get("all")[0].values()))'
        want = ("[True, 5, 7, 9007199254740993, 0.5, 1.25, Decimal('12.30'), 'text', None, None, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 34, 56, 789000),"
                " datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=datetime.timezone.utc), 'infinity', datetime.time(1, 2, 3), UUID('00112233-4455-6677-8899-aabbccddeeff'),"
                " b'\\x01\\xff', {'a': [1, None]}, [1, None, 3], ['x', None]]\n")
        assert run_client("python", s.at["hbtp"], code) == (0, want, ""), run_client("python", s.at["hbtp"], code)
        if not shutil.which("node"):
            return
        code = ('import {open} from "./dxdb.mjs";\nconst db = await open("127.0.0.1", 7010);\nconst row = (await db.get("all"))[0];\n'
                'console.log(JSON.stringify(Object.values(row).map((v) => typeof v === "bigint" ? `${v}n` : v instanceof Uint8Array ? [...v] : v)));\ndb.close();')
        want = [True, 5, 7, "9007199254740993n", 0.5, 1.25, "12.30", "text", None, None, "2024-02-29T00:00:00.000Z", "2024-02-29T12:34:56.789Z", "2024-02-29T12:34:56.789Z",
                "infinity", "01:02:03.000", "00112233-4455-6677-8899-aabbccddeeff", [1, 255], {"a": [1, None]}, [1, None, 3], ["x", None]]
        status, out, wrong = run_client("js", s.at["hbtp"], code)
        assert status == 0 and json.loads(out) == want, (out, wrong)


def clients_carry_much_over_tls():
    """Answers of many records of TLS, and more requests at once than are sent in one piece."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    postgres.fresh(USERS)
    queries = {"large": "SELECT repeat('x', 3000000) AS t FROM users WHERE id = 1", "wide": LONG_ANSWER}
    with Secured(queries, server=TLS + "result_max = 4000000") as s:
        with dx_hbtp.Client(*s.at["hbtp"], ca="a.pem", server_name="localhost", payload_max=1 << 23) as client:
            assert all(client.call(1, timeout=PATIENCE).count(b"x") == 3000000 for _ in range(3))
            found = together(60, lambda _: client.call(2, arguments("p" * 4000), timeout=PATIENCE).count(b"x"))
            assert set(found) == {30000}, collections.Counter(found)
        if shutil.which("node"):
            code = ('import {open} from "./dxdb.mjs";\nconst db = await open("127.0.0.1", 7010);\nconst all = await Promise.all(Array.from({length: 60}, () => db.get("wide", "p".repeat(4000))));\n'
                    'console.log((await db.get("large"))[0].t.length, new Set(all.map((rows) => rows[0].t.length)).size, all[0][0].t.length);\ndb.close();')
            assert run_client("js", s.at["hbtp"], code, ', {tls: {caFile: "a.pem", serverName: "localhost"}}') == (0, "3000000 1 30000\n", "")


def a_client_of_tls_that_does_not_read_is_cut_off():
    """Whatever it waits for: an answer, events, answers of HBTP, frames of a WebSocket."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    postgres.fresh(USERS)
    queries = {"large": "SELECT repeat('x', 960000) AS t FROM users WHERE id = 1"}  # of a table, so it is kept
    with Secured(queries, server=TLS + "result_max = 4000000", cache="[subscribe]\nlag_ms = 1000") as s:
        stuck = lambda: s.metrics()['dxdb_stuck_total{output="tls"}']
        s.get("large")
        call = struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 1) + b"\1"
        silent = {"answers": ("http", b"GET /q/large HTTP/1.1\r\n\r\n" * 8), "calls": ("hbtp", call * 30)}
        if s.fetch("/ws")[0] == 426:
            silent["frames"] = ("http", Web.request() + Web.frame(2, call * 30))
        before, clients = stuck(), []
        for protocol, asked in silent.values():
            clients.append(s.secure(protocol, receive=4096))
            clients[-1].sendall(asked)
        until(lambda: stuck() - before >= len(silent), 6 * PATIENCE)
        for c in clients:  # what the system had taken for it is all that it gets
            c.settimeout(PATIENCE)
            got = 0
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while True:
                    more = len(c.recv(65536))
                    if not more:
                        break
                    got += more
            assert got < 30 * 960000, got
            c.close()
        until(lambda: s.metrics()["dxdb_hbtp_connections"] == 0 and s.metrics()["dxdb_http_connections"] == 1)
        assert stuck() - before == len(silent), stuck()


def many_that_send_fast_over_tls_are_all_answered():
    """They send more than their side of TLS takes, and read all the time: each is on hold again and again, and none is cut off."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    postgres.fresh(USERS)
    queries = {"wide": {"sql": "SELECT 1 AS n FROM users WHERE id = 1 AND $1 <> ''", "parameters": ["p"]}}
    number, count, size = 400, 200, 4000
    call = struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 1 + 4 + size) + b"\1" + arguments("p" * size)
    server = TLS + "workers = 1\nconnections = %d\n[limit]\nrate = 1000000\nburst = 1000000" % (number + 10)
    for backend in ("auto", "epoll"):
        with Secured(queries, server=server, options=("--backend", backend)) as s, selectors.DefaultSelector() as chosen:
            assert s.methods["wide"] == 1
            clients = [types.SimpleNamespace(c=s.secure("hbtp"), out=memoryview(call * count), got=bytearray(), answers=0) for _ in range(number)]
            for a in clients:
                a.c.setblocking(False)
                chosen.register(a.c, selectors.EVENT_READ | selectors.EVENT_WRITE, a)
            end, left = time.monotonic() + PATIENCE, number
            while left:
                assert time.monotonic() < end, sorted(a.answers for a in clients)[:5]
                for key, _ in chosen.select(1):
                    left -= client_of_many(key.data, chosen, count)
            assert s.metrics()['dxdb_stuck_total{output="tls"}'] == 0
            for a in clients:
                a.c.close()


def client_of_many(a, chosen, count):
    """Send and receive what is possible now. True: it has all its answers."""
    with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        if a.out:
            a.out = a.out[a.c.send(a.out[:1 << 18]):]
            if not a.out:
                chosen.modify(a.c, selectors.EVENT_READ, a)
    with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        more = a.c.recv(1 << 16)
        assert more, "cut off after %d answers, %d bytes unsent" % (a.answers, len(a.out))
        a.got += more
    before = a.answers
    while len(a.got) >= 8 and len(a.got) >= 8 + struct.unpack_from("<I", a.got, 4)[0]:
        del a.got[:8 + struct.unpack_from("<I", a.got, 4)[0]]
        a.answers += 1
    return a.answers == count > before


def a_key_with_a_passphrase_is_refused():
    """Nobody is asked for it: there may be a terminal, but nobody at it."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    certificate("a")
    subprocess.run(["openssl", "pkey", "-in", "a.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"], check=True, stderr=subprocess.DEVNULL)
    write_config("locked.toml", {"user": ONE_USER}, server=TLS.replace("a.key", "locked.key"))
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run([DXDB, "serve", "locked.toml"], stdin=terminal, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE,
                              start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        shown = select.select([controller], [], [], 0)[0] and os.read(controller, 1000)
    finally:
        os.close(terminal)
        os.close(controller)
    said = done.stderr.decode()
    assert done.returncode == 1 and "locked.key: the key has a passphrase" in said and not shown, (done.returncode, said, shown)


def bad_and_half_open_handshakes_end():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    Secured.context = certificate("a")
    postgres.fresh(USERS)
    with Secured({"user": ONE_USER}, server=TLS) as s:
        for protocol in ("http", "hbtp"):
            def ends(*pieces, finish=True):
                with socket.create_connection(s.at[protocol], timeout=PATIENCE) as c:
                    with contextlib.suppress(ConnectionError):
                        for piece in pieces:
                            c.sendall(piece)
                        if finish:
                            c.shutdown(socket.SHUT_WR)
                        return c.makefile("rb").read()
            hello = types.SimpleNamespace(incoming=ssl.MemoryBIO(), outgoing=ssl.MemoryBIO())
            client = Secured.context.wrap_bio(hello.incoming, hello.outgoing, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            hello = hello.outgoing.read()
            assert b"HTTP/1.1" not in (ends(b"GET /q/user?id=1 HTTP/1.1\r\n\r\n", finish=False) or b"")
            ends(b"\0" * 20000, finish=False)
            chance = random.Random(41)
            for _ in range(40):  # a good beginning that is changed or cut
                bad = bytearray(hello)
                if chance.random() < 0.7:
                    bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
                ends(bytes(bad[:chance.randrange(len(bad) + 1)]))
            old = ssl.create_default_context(cafile="a.pem")
            old.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            try:
                s.secure(protocol, context=old).close()
                raise AssertionError("TLS 1.1 is accepted")
            except (ssl.SSLError, OSError):
                pass
        begun = time.monotonic()
        first = [socket.create_connection(s.at["http"], timeout=PATIENCE) for _ in range(50)]
        more = [socket.create_connection(s.at["http"], timeout=PATIENCE) for _ in range(256)]
        assert all(c.recv(1) == b"" for c in first) and time.monotonic() - begun < 8, "the oldest ones were not closed"
        assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]
        for c in more:
            with contextlib.suppress(ConnectionError):
                assert c.recv(1) == b""
        assert 9 < time.monotonic() - begun < 19
        for c in first + more:
            c.close()
        until(lambda: s.metrics()["dxdb_http_connections"] == 1)
        # SIGTERM ends it, whatever is open.
        stream, idle, half = s.secure(), s.secure("hbtp"), socket.create_connection(s.at["hbtp"])
        stream.sendall(b"GET /q/user/live?id=1 HTTP/1.1\r\n\r\n")
        events = stream.makefile("rb")
        until(lambda: b"user 1" in events.readline())
    assert b"event: end" in events.read()
    for c in (stream, idle, half):
        c.close()


def histories_of_subscribers_are_those_of_the_table():
    """Seeded writers, and subscribers that are cut off, while connections, dxdb and the database are killed: each row carries a version
    that only grows. The versions that each subscriber sees never go back, and at the end all of them have the table."""
    random_ = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
    rounds = int(os.environ.get("DX_TEST_RUNS", "16"))
    keys, followers = 6, 8
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, k int, v int, filler text);"
                   "INSERT INTO t SELECT i, i %% 3, 0, repeat(md5(i::text), 4) FROM generate_series(0, %d) i" % (keys - 1))
    queries = {"k": {"sql": "SELECT * FROM t WHERE k = $1 ORDER BY id", "parameters": ["k"]}, "all": "SELECT * FROM t ORDER BY id"}
    crowd = [Follower("all") if i % 2 else Follower("k", str(i % 3)) for i in range(followers)]
    server = [Server(queries, server="workers = 2")]
    faults = collections.Counter()

    def connect(f):
        until(lambda: attempt(lambda: f.connect(server[0])))

    def attempt(work):
        with contextlib.suppress(dx_hbtp.HbtpError, OSError, TimeoutError):
            return work() or True

    def restart(kill):
        old, server[0] = server[0], None
        for f in crowd:
            f.close()
        if kill:
            old.process.kill()
            old.process.wait()
            old.process.stdout.close()
            old.log.close()
        else:
            old.__exit__(None)
        server[0] = Server(queries, server="workers = 2", install=False)
        for f in crowd:
            connect(f)
    try:
        for f in crowd:
            connect(f)
        for i in range(rounds):
            postgres.sql("; ".join("UPDATE t SET v = v + 1 WHERE id = %d" % random_.randrange(keys) for _ in range(random_.randrange(1, 4))))
            fault = random_.choice(["none"] * 12 + ["client"] * 6 + ["catalog", "pool", "dxdb", "dxdb killed"])
            fault = {rounds // 3: "database", rounds // 2: "dxdb killed", rounds - 5: "dxdb"}.get(i, fault)
            faults[fault] += 1
            if fault == "client":
                connect(random_.choice(crowd))
            elif fault in ("catalog", "pool"):
                postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'"
                             % ("dxdb catalog" if fault == "catalog" else "dxdb"))
            elif fault == "database":
                postgres.stop("immediate")
                postgres.start()
            elif fault.startswith("dxdb"):
                restart(fault == "dxdb killed")
        table = [tuple(int(n) for n in line.split("|")) for line in postgres.sql("SELECT id, k, v FROM t ORDER BY id").split("\n")]
        for f in crowd:
            until(lambda: f.now() is not None and [(r["id"], r["k"], r["v"]) for r in f.now()]
                  == [row for row in table if f.query == "all" or str(row[1]) == f.parameters[0]])
        for f in crowd:
            check_history(f.history)
        assert sum(row[2] for row in table) >= rounds and sum(f.patches for f in crowd) and sum(f.kept for f in crowd), (faults, table)
    finally:
        for f in crowd:
            f.close()
        if server[0]:
            server[0].__exit__(None)


def check_history(history):
    """Raises if a row goes back to an earlier version."""
    last = {}
    for position, status, rows in history:
        for row in rows:
            assert row["v"] >= last.get(row["id"], 0), "row %d: %d after %d, at %x" % (row["id"], row["v"], last[row["id"]], position)
            last[row["id"]] = row["v"]


def the_checker_of_histories_finds_what_is_planted():
    good = [(1, 200, [{"id": 1, "v": 1}]), (2, 200, [{"id": 1, "v": 1}, {"id": 2, "v": 5}]), (3, 503, [{"id": 1, "v": 2}])]
    check_history(good)
    for bad in (good + good[:1], good[::-1], good + [(4, 200, [{"id": 2, "v": 4}])]):
        try:
            check_history(bad)
        except AssertionError:
            continue
        raise AssertionError("%s passes" % (bad,))


class Many:
    """Many followed results, and how many frames of each have arrived. A connection has at most 64 of them."""

    def __init__(self, server):
        self.server, self.raws, self.of, self.seen = server, [], {}, collections.Counter()

    def follow(self, method, *values):
        if len(self.of) % 64 == 0:
            self.raws.append(Raw(self.server))
        raw = self.raws[-1]
        number = struct.unpack_from("<I", self.call(raw, dx_hbtp.CALL, bytes([255, method, 0]) + arguments(*values)))[0]
        self.of[number] = raw
        self.call(raw, dx_hbtp.STATE_SUBSCRIBE, struct.pack("<IQQ", number, 0, 0))
        self.until(number, 1)
        return number

    def call(self, raw, opcode, payload):
        raw.send(opcode, payload)
        while True:
            found, answer = raw.frame()
            if found == dx_hbtp.RESPONSE:
                return answer
            self.count(found, answer)

    def count(self, opcode, payload):
        assert opcode in (dx_hbtp.STATE_SYNC, dx_hbtp.STATE_DELTA), (opcode, payload)
        self.seen[struct.unpack_from("<I", payload)[0]] += 1

    def until(self, number, frames):
        while self.seen[number] < frames:
            self.count(*self.of[number].frame())

    def close(self):
        for raw in self.raws:
            raw.close()


def only_sets_whose_key_changed_are_read_again(database=""):
    """A change costs the queries of the keys that it touches, whether one set of parameters is followed or a thousand."""
    many = 1000
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, k text, v int); CREATE TABLE \"A \"\"b\" (\"I d\" int, v int);"
                   "INSERT INTO t SELECT i, 'k' || i %% 10, 0 FROM generate_series(1, %d) i" % many)
    queries = {"row": {"sql": "SELECT v FROM t WHERE id = $1 /* keyed */", "parameters": ["id"]},
               "list": {"sql": "SELECT id, v FROM t WHERE k = $1 ORDER BY id /* keyed */", "parameters": ["k"]},
               "named": {"sql": "SELECT v FROM \"A \"\"b\" WHERE \"I d\" = $1", "parameters": ["id"]}}
    with Server(queries, server="connections = 512", database=database + "\nwaiting_max = 4096", cache="[subscribe]\nstates = 2000") as s:
        crowd, cost = Many(s), {}

        def change(sql, numbers):
            """How many queries it costs until these have their change, and then no more."""
            runs, want = postgres.runs("keyed"), {number: crowd.seen[number] + 1 for number in numbers}
            postgres.sql(sql)
            for number, frames in want.items():
                crowd.until(number, frames)
            at = int(postgres.sql("SELECT pg_current_wal_insert_lsn() - '0/0'"))
            crowd.call(crowd.raws[0], dx_hbtp.CALL, b"\3" + arguments("1") + struct.pack("<Q", at))  # every notification has arrived
            until(lambda: s.metrics()["dxdb_pool_running"] + s.metrics()["dxdb_pool_waiting"] == 0)
            return postgres.runs("keyed") - runs
        rows = {7: crowd.follow(1, "7")}
        for count in (1, many):
            for i in range(1, count + 1):
                rows.setdefault(i, crowd.follow(1, str(i)) if i not in rows else None)
            cost[count] = change("UPDATE t SET v = v + 1 WHERE id = 7", [rows[7]])
        assert cost == {1: 1, many: 1}, cost
        lists = {k: crowd.follow(2, k) for k in ("k1", "k2", "k3")}
        assert change("UPDATE t SET v = v + 1 WHERE id IN (1, 12)", [rows[1], rows[12], lists["k1"], lists["k2"]]) == 4
        assert change("UPDATE t SET k = 'k3' WHERE id = 2", [lists["k2"], lists["k3"]]) == 3    # out of one and into another
        assert change("DELETE FROM t WHERE id = 3", [rows[3], lists["k3"]]) == 2
        assert change("INSERT INTO t VALUES (3, NULL, 5)", [rows[3]]) == 1
        assert change("UPDATE t SET v = v WHERE id = 4; UPDATE t SET v = v + 1 WHERE id = 5", [rows[5]]) == 2
        assert change("BEGIN; UPDATE t SET v = 0 WHERE id = 6; ROLLBACK; UPDATE t SET v = 9 WHERE id = 0", []) == 0
        assert change("UPDATE t SET v = v + 1", [*rows.values(), *lists.values()]) == many + 3  # more keys than a payload has room for
        assert change("TRUNCATE t", [*rows.values(), *lists.values()]) >= many + 3
        named = crowd.follow(3, "5")
        change("INSERT INTO \"A \"\"b\" VALUES (5, 1)", [named])
        crowd.close()


KEYED = {  # what is followed, its parameters; whether it depends on one key is for dxdb to find out
    "SELECT * FROM a WHERE id = $1": ["1", "2", "007", " 3", "+4", "-0", None, "99"],
    "SELECT * FROM a WHERE $1 = id ORDER BY 1": ["5"],
    "SELECT * FROM a WHERE id = $1 OR v = 3 ORDER BY 1": ["1"],
    "SELECT * FROM a WHERE (id = $1) IS NOT TRUE ORDER BY 1": ["1"],
    "SELECT * FROM a WHERE id = $1 AND t = '(id = $1) AND (id = $1)' OR t = ') AND (id = $1)' ORDER BY 1": ["1"],
    "SELECT count(*) AS n, sum(v) AS s FROM a WHERE k = $1": ["0", "1", "2"],
    "SELECT * FROM a WHERE t = $1 ORDER BY id": ["x", "\u00e4 '\\\"", "", "X"],
    "SELECT * FROM a WHERE u = $1 ORDER BY id": ["00000000-0000-0000-0000-00000000000A", "{00000000-0000-0000-0000-00000000000b}"],
    "SELECT a.id, b.id AS other FROM a JOIN a b ON b.k = a.k WHERE a.id = $1 ORDER BY 1, 2": ["1", "2"],
    "SELECT a.id, p.v FROM a JOIN p ON p.k = a.k WHERE a.k = $1 ORDER BY 1, 2": ["0", "1"],
    "SELECT a.id, p.v FROM a LEFT JOIN p ON p.k = $1 AND p.v > a.v WHERE a.id < 3 ORDER BY 1, 2": ["1"],
    "SELECT v FROM p WHERE k = $1 ORDER BY v": ["0", "1", "2"],
    "SELECT id, (SELECT count(*) FROM a b WHERE b.v = a.v) AS n FROM a WHERE id = $1": ["1"],
    "SELECT id FROM a WHERE id = $1 UNION ALL SELECT id FROM a WHERE v = $2::int ORDER BY 1": [("1", "2")],
    "SELECT id FROM a WHERE v > (SELECT min(v) FROM a b WHERE b.id = $1) ORDER BY id": ["1"],
    "SELECT a.v, b.id FROM a, a b WHERE a.id = $1 AND b.v = 3 ORDER BY b.id": ["1", "2"],
    "SELECT id, v FROM a WHERE v >= (SELECT min(v) FROM parent) AND k = (SELECT max(v) FROM p WHERE k = 0) AND id < $1 ORDER BY id": ["99"],
    "SELECT id, v FROM w WHERE id = $1": ["2", "4"],
    "SELECT id, v FROM parent WHERE id = $1 ORDER BY v": ["1", "2"],
    "SELECT id FROM a WHERE c = $1 ORDER BY id": ["abc", "ABC"],
    "SELECT id FROM a WHERE k = ANY (ARRAY[$1::int]) ORDER BY id": ["1"],
    "SELECT id FROM a WHERE n = $1 ORDER BY id": ["1.0", "1"],
}


def what_depends_on_a_key_is_never_missed(database="", steps=20):
    """Queries of every kind, and seeded changes of their tables. After each change every follower has what the database says. How much
    was read again is counted: most of what does not depend on the changed keys is not."""
    random_ = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
    postgres.fresh("CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                   "CREATE TABLE a (id int PRIMARY KEY, k int, v int, t varchar(20), u uuid, n numeric, c text COLLATE nocase);"
                   "CREATE INDEX ON a (k); CREATE TABLE p (k int, v int) PARTITION BY LIST (k); CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0);"
                   "CREATE TABLE px (v int, k int); ALTER TABLE p ATTACH PARTITION px DEFAULT; CREATE VIEW w AS SELECT * FROM a WHERE v > 1;"
                   "CREATE TABLE parent (id int, v int); CREATE TABLE child (x int) INHERITS (parent);"
                   "CREATE TABLE dependent (id int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);"
                   "INSERT INTO a SELECT i, i % 3, i, 'x' FROM generate_series(0, 5) i; INSERT INTO p VALUES (0, 1); INSERT INTO parent VALUES (1, 0)")
    followers, queries = [], {}
    for i, (sql, sets) in enumerate(KEYED.items()):
        count = max(int(n) for n in re.findall(r"\$(\d)", sql))
        queries["q%d" % i] = {"sql": sql + " /* any */", "parameters": ["p%d" % k for k in range(1, count + 1)]}
        followers += [("q%d" % i, sql, values if isinstance(values, tuple) else (values,)) for values in sets]

    def literal(text):
        return "NULL" if text is None else "'" + text.replace("'", "''") + "'"

    def truth():
        parts = []
        for _, sql, values in followers:
            for i, value in enumerate(values, 1):
                sql = re.sub(r"(?<!\(id = )\$%d|(?<=WHERE \(id = )\$%d|(?<=b\.id = )\$%d" % (i, i, i), lambda _: literal(value), sql)
            parts.append("SELECT coalesce(json_agg(x), '[]') FROM (%s) x" % sql)
        return [json.loads(line, parse_float=str) for line in postgres.sql("; ".join(parts)).replace("\n ", " ").split("\n")]
    texts, ids = ["x", "X", "\u00e4 '\\\"", "", "(id = $1) AND (id = $1)", ") AND (id = $1)"], list(range(7)) + [99]

    def row():
        return "%d, %s, %s, %s, %s, %s" % (random_.randrange(3), random_.choice(["NULL", "1", "2", "3"]), literal(random_.choice(texts)),
                                           random_.choice(["NULL", "'00000000-0000-0000-0000-00000000000a'", "'00000000-0000-0000-0000-00000000000b'"]),
                                           random_.choice(["1", "1.0", "1.00", "2"]), random_.choice(["'abc'", "'Abc'", "NULL"]))

    def step():
        id_, k = random_.choice(ids), random_.randrange(3)
        return random_.choice([
            "INSERT INTO a VALUES (%d, %s) ON CONFLICT (id) DO UPDATE SET v = coalesce(a.v, 0) + 1, k = EXCLUDED.k" % (id_, row()),
            "UPDATE a SET (k, v, t, u, n, c) = (%s) WHERE id = %d" % (row(), id_), "DELETE FROM a WHERE id = %d" % id_,
            "UPDATE a SET id = id + 100 WHERE id = %d AND NOT EXISTS (SELECT FROM a b WHERE b.id = a.id + 100)" % id_,
            "UPDATE a SET v = 3 WHERE k = %d" % k, "INSERT INTO p VALUES (%d, %d)" % (k, random_.randrange(4)),
            "UPDATE p SET k = %d, v = v + 1 WHERE v = %d" % (k, random_.randrange(4)), "DELETE FROM px WHERE k = %d" % k,
            "INSERT INTO child VALUES (%d, %d, 0)" % (random_.randrange(3), random_.randrange(9)), "UPDATE parent SET id = 3 - id, v = v + 1",
            "WITH gone AS (DELETE FROM a WHERE id = %d RETURNING *) INSERT INTO parent SELECT id, v FROM gone" % id_,
            "TRUNCATE p0" if random_.random() < 0.3 else "SELECT 1", "DELETE FROM child WHERE v < 4"])
    steps = int(os.environ.get("DX_TEST_RUNS", steps))
    with Server(queries, cache="[subscribe]\nstates = 200", database=database + "\npool = 2") as s, s.hbtp() as client:
        kinds = {name: json.loads(client.call(0, name.encode()))["type"] for name in queries}
        streams = []
        for name, sql, values in followers:
            parts = [urllib.parse.urlencode({"p%d" % i: v}) if v is not None else "p%d" % i for i, v in enumerate(values, 1)]
            streams.append(Events(s, "/q/%s/live?%s" % (name, "&".join(parts))))
        have = [stream.next()[1] for stream in streams]
        runs, told = postgres.runs("any"), 0
        for _ in range(steps):
            change = "; ".join(step() for _ in range(random_.randrange(1, 3)))
            postgres.sql("BEGIN; SET CONSTRAINTS ALL IMMEDIATE; %s; COMMIT" % change)
            told += 1
            for i, want in enumerate(truth()):
                while simple(have[i]) != simple(want):
                    try:
                        have[i] = streams[i].next()[1]
                    except TimeoutError:
                        raise AssertionError("after %s, %s has %s instead of %s" % (change, followers[i], have[i], want))
        runs = postgres.runs("any") - runs
        assert runs < told * len(followers) * 0.7, "%d queries for %d changes and %d followers" % (runs, told, len(followers))
        for stream in streams:
            stream.socket.close()


NOCASE = "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"


def follow_changes(queries, changes, options="", database=""):
    """Follow queries with a parameter; after each change, the result of its query has to come: name, parameter, SQL, result."""
    queries = {name: {"sql": sql, "parameters": ["p"]} for name, sql in queries.items()}
    with Server(queries, url="%s options='%s'" % (postgres.url, options), database=database) as s:
        streams = {(name, value): Events(s, "/q/%s/live?p=%s" % (name, value)) for name, value, _, _ in changes}
        for stream in streams.values():
            stream.next()
        for name, value, change, want in changes:
            resets = s.metrics()["dxdb_resets_total"]
            postgres.sql(change)
            if change.startswith("ALTER TABLE"):  # what comes next is by keys again, or not
                until(lambda: s.metrics()["dxdb_resets_total"] > resets and s.metrics()["dxdb_up"] == 1)
            if want is None:
                continue
            try:
                while streams[name, value].next()[1] != want:
                    pass
            except TimeoutError:
                raise AssertionError("%s: after %s it is not %s" % (name, change, want))
        for stream in streams.values():
            stream.close()


def a_key_is_only_what_equals_by_its_bytes(database=""):
    """What decides whether two keys are equal is not always printed in a plan. Each change is one of another key than the followed one, by
    its bytes, and concerns the result all the same."""
    postgres.fresh(NOCASE + "CREATE TABLE t (id text, v int); CREATE TABLE c (id varchar(9), v int); CREATE TABLE k (id text, v int);"
                   "CREATE TABLE f (id text, v int); CREATE TABLE x (id text, v int); CREATE INDEX ON x (id COLLATE nocase);"
                   "INSERT INTO x SELECT 'x' || i, 0 FROM generate_series(1, 5000) i; CREATE VIEW w AS SELECT id COLLATE nocase AS id, v FROM t;"
                   "INSERT INTO f VALUES ('a', 1); CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT sum(v) FROM f); END';"
                   "CREATE FUNCTION \"to \"\"tal\"() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT sum(v) FROM f); END'")
    postgres.sql("VACUUM ANALYZE x")
    queries = {"query": "SELECT v FROM t WHERE id COLLATE nocase = $1 ORDER BY v", "view": "SELECT v FROM w WHERE id = $1 ORDER BY v",
               "right": "SELECT v FROM t WHERE id = $1 COLLATE nocase ORDER BY v", "varchar": "SELECT v FROM c WHERE id COLLATE nocase = $1",
               "only": "SELECT count(*) AS n FROM x WHERE id COLLATE nocase = $1", "later": "SELECT v FROM k WHERE id = $1",
               "function": "SELECT v, total() AS n FROM f WHERE id = $1", "named": "SELECT v, \"to \"\"tal\"() AS n FROM f WHERE id = $1",
               "text": "SELECT v, query_to_xml('SELECT sum(v) AS n FROM f', false, true, '')::text ~ '<n>3</n>' AS n FROM f WHERE id = $1"}
    follow_changes(queries, [
        ("query", "A", "INSERT INTO t VALUES ('a', 1)", [{"v": 1}]), ("view", "A", "UPDATE t SET v = 2", [{"v": 2}]),
        ("right", "A", "UPDATE t SET v = 3", [{"v": 3}]), ("varchar", "A", "INSERT INTO c VALUES ('a', 1)", [{"v": 1}]),
        ("only", "A", "INSERT INTO x VALUES ('a', 1)", [{"n": 1}]),
        ("later", "A", "ALTER TABLE k ALTER id TYPE text COLLATE nocase", None), ("later", "A", "INSERT INTO k VALUES ('a', 1)", [{"v": 1}]),
        ("function", "a", "INSERT INTO f VALUES ('b', 1)", [{"v": 1, "n": 2}]), ("named", "a", "UPDATE f SET v = v + 3 WHERE id = 'b'", [{"v": 1, "n": 5}]),
        ("text", "a", "UPDATE f SET v = 2 WHERE id = 'b'", [{"v": 1, "n": True}])],
        "-c enable_seqscan=off -c enable_bitmapscan=off", database)
    for type_ in ("int", "varchar"):  # an operator that comes first in the search path
        postgres.fresh("DROP SCHEMA IF EXISTS own CASCADE; CREATE SCHEMA own; CREATE TABLE n (id %s, v int); INSERT INTO n VALUES (10, 0);"
                       "CREATE FUNCTION own.near(a %s, b %s) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS "
                       "'BEGIN RETURN left(a::text, 1) OPERATOR(pg_catalog.=) left(b::text, 1); END';"
                       "CREATE OPERATOR own.= (LEFTARG = %s, RIGHTARG = %s, FUNCTION = own.near)" % ((type_,) * 5))
        follow_changes({"near": "SELECT sum(v) AS v FROM n WHERE id = $1"}, [("near", "12", "INSERT INTO n VALUES (15, 5)", [{"v": 5}])],
                       "-c search_path=own,public,pg_catalog", database)
    postgres.sql("SET client_min_messages = warning; DROP SCHEMA own CASCADE")


def simple(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


def events_of_a_page_follow_the_table():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER, "all": "SELECT * FROM users ORDER BY id"}) as s:
        streams = [Events(s, "/q/user/live?id=1"), Events(s, "/q/all/live")]
        one, all_ = streams
        assert one.next() == ("message", [{"id": 1, "name": "user 1"}]) and len(all_.next()[1]) == 100
        postgres.sql("UPDATE users SET name = E'a\\nb' WHERE id = 1")
        assert one.next() == ("message", [{"id": 1, "name": "a\nb"}]) and all_.next()[1][0]["name"] == "a\nb"
        postgres.sql("UPDATE users SET name = 'x' WHERE id = 2")
        assert all_.next()[1][1]["name"] == "x"
        for bad, status in (("/q/user/live", 400), ("/q/nothing/live", 404), ("/q/user/live?id=x", 400)):
            assert s.fetch(bad)[0] == status, bad
        assert s.fetch("/q/all/live", method="HEAD")[0] == 400
        postgres.stop()
        assert one.next()[0] == "away"
        postgres.start()
        postgres.sql("UPDATE users SET name = 'back' WHERE id = 1")
        until(lambda: one.next() == ("message", [{"id": 1, "name": "back"}]))
        postgres.sql("ALTER TABLE users ADD COLUMN age int")
        found = until(lambda: [e for e in [all_.next()] if e[0] == "end"])[0]
        assert found[1]["status"] == 410, found
        one.socket.close()
        until(lambda: s.metrics()["dxdb_http_connections"] <= 2)
        last = Events(s, "/q/user/live?id=1")
        assert last.next()[0] == "message"
        s.process.send_signal(signal.SIGTERM)
        found = last.next()
        assert found[0] == "end" and "shutting down" in found[1]["error"], found
        for stream in (all_, last):
            stream.socket.close()


def a_page_that_does_not_read_is_ended():
    """It costs one event, however many it misses. It is told why it is ended, if it reads at last; if not, its connection is closed."""
    postgres.fresh("CREATE TABLE t (v int); INSERT INTO t VALUES (0)")
    large = {"t": "SELECT v, repeat(md5(v::text), 30000) AS x FROM t"}
    limit = "result_max = 1000000"
    with Server(large, cache="[subscribe]\nlag_ms = 1500", server=limit) as s, \
            Server(large, name="late", install=False, cache="[subscribe]\nlag_ms = 3000", server=limit) as other:
        silent = [Events(s, "/q/t/live", 4096) for _ in range(8)]
        late = Events(other, "/q/t/live", 4096)
        reader = Events(s, "/q/t/live")
        reader.next()

        def read_at_last():
            """It has lag_ms for this from the time when it is ended, so that is waited for beside the writes."""
            until(lambda: other.metrics()["dxdb_lagging_total"] == 1, 3 * PATIENCE)
            events = [late.next()]
            while events[-1][0] != "end":
                events.append(late.next())
            return events


        def write():
            before = None
            writer = subprocess.Popen(["psql", "-Xq", "-d", postgres.url], stdin=subprocess.PIPE)
            for v in range(1, 25):
                writer.stdin.write(b"UPDATE t SET v = %d;\n" % v)
                writer.stdin.flush()
                kind, data = reader.next()
                assert kind == "message" and data[0]["v"] == v, (v, kind, str(data)[:200])
                before = before or s.memory()
            writer.communicate()
            # 24 events of 960 kB for each of eight clients would be 184 MB. A sanitizer keeps freed memory for a while.
            assert s.memory() - before < (64 << 10) or "asan" in DXDB, (before, s.memory())
        events = together(2, lambda i: (write, read_at_last)[i]())[1]
        kind, data = events[-1]
        assert data["status"] == 408 and "does not read" in data["error"], data
        assert [d[0]["v"] for _, d in events[:-1]] == sorted({d[0]["v"] for _, d in events[:-1]}) and len(events) < 20
        until(lambda: s.metrics()["dxdb_lagging_total"] == 8)
        until(lambda: s.metrics()["dxdb_http_connections"] == 2)  # the reader and this request
        for stream in (*silent, late, reader):
            stream.socket.close()


class Events:
    """A stream of server-sent events."""

    def __init__(self, server, path, receive=None, position=None):
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(server.at["http"])
        field = "Dx-Position: %s\r\n" % position if position else ""
        self.socket.sendall(("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, field)).encode())
        self.input = b""
        head = self.until(b"\r\n\r\n")
        assert b" 200 " in head and b"text/event-stream" in head, head

    def until(self, mark):
        while mark not in self.input:
            more = self.socket.recv(65536)
            assert more, "the stream has ended"
            self.input += more
        found, self.input = self.input.split(mark, 1)
        return found

    def next(self):
        """kind, data"""
        text, end = ":", time.monotonic() + PATIENCE
        while text.startswith(":"):
            if time.monotonic() > end:
                raise TimeoutError("only comments arrive")
            text = self.until(b"\n\n").decode()
        lines = [line.split(": ", 1) for line in text.split("\n")]
        kinds = [value for name, value in lines if name == "event"]
        return kinds[0] if kinds else "message", json.loads("\n".join(value for name, value in lines if name == "data"))

    def close(self):
        self.socket.close()


WRITES = {"set": {"sql": "UPDATE users SET name = $2 WHERE id = $1", "parameters": ["id", "name"]},
          "move": {"sql": ["UPDATE users SET name = $3 WHERE id = $1", "INSERT INTO moves (source, target) VALUES ($1, $2) RETURNING source",
                           "UPDATE users SET name = $3 || '2' WHERE id = $2::int"], "parameters": ["from", "to", "name"]}}
MOVES = "CREATE TABLE moves (source int, target int CHECK (target < 50), UNIQUE (source, target) DEFERRABLE INITIALLY DEFERRED);"


class Web:
    """A WebSocket as a socket: the worst client that keeps to the rules. With `chance` it sends in pieces of any size, fragmented, with
    empty frames and pings between. What it receives must keep to RFC 6455."""
    KEY = base64.b64encode(bytes(range(16)))

    def __init__(self, server, chance=None, receive=None, fields=b"", early=b"", socket_=None):
        self.chance, self.input, self.pings, self.code, self.inside = chance, b"", [], None, False
        self.socket = socket_ or socket.socket()
        if not socket_:
            if receive:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(server.at["http"])
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request(fields) + early)
        while b"\r\n\r\n" not in self.input:
            more = self.socket.recv(4096)
            assert more, self.input
            self.input += more
        self.head, _, self.input = self.input.partition(b"\r\n\r\n")
        if self.head.startswith(b"HTTP/1.1 101 "):
            want = base64.b64encode(hashlib.sha1(self.KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            assert b"Sec-WebSocket-Accept: " + want + b"\r\n" in self.head and b"X-Response-Time: " in self.head, self.head

    @classmethod
    def request(cls, fields=b""):
        return (b"GET /ws HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: " + cls.KEY + b"\r\n" + fields + b"\r\n")

    @staticmethod
    def frame(opcode, payload=b"", fin=True, mask=b"\x12\x34\x56\x78", form=None):
        """form: how many bytes its length has"""
        size, flag = len(payload), 0x80 if mask else 0
        form = form or (1 if size < 126 else 3 if size < 65536 else 9)
        length = bytes([flag | size]) if form == 1 else struct.pack(">BH", flag | 126, size) if form == 3 else struct.pack(">BQ", flag | 127, size)
        key = (mask * (size // 4 + 1))[:size] if mask else b""
        body = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big") if mask else payload
        return bytes([(0x80 if fin else 0) | opcode]) + length + mask + body

    def sendall(self, data):
        if not self.chance:
            self.socket.sendall(self.frame(2, data))
            return
        out, at = b"", 0
        while at < len(data):
            size = self.chance.choice((0, 1, 7, 125, 126, 1000, 65535))
            fin = self.chance.random() < 0.6
            out += self.frame(0 if self.inside else 2, data[at:at + size], fin, self.chance.randbytes(4))
            self.inside, at = not fin, at + size
            if self.chance.random() < 0.3:
                self.pings.append(self.chance.randbytes(self.chance.randrange(126)))
                out += self.frame(9, self.pings[-1]) + self.frame(10, b"nobody asked")
        at = 0
        while at < len(out):
            size = self.chance.choice((1, 13, 5000, 65536))
            self.socket.sendall(out[at:at + size])
            at += size

    def take(self, size):
        while len(self.input) < size:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.input += more
        data, self.input = self.input[:size], self.input[size:]
        return data

    def recv(self, _=None):
        """The next bytes of HBTP; b"": the end, whose code is in `code`."""
        while self.code is None:
            first, size = self.take(2)
            opcode = first & 15
            assert first & 0x70 == 0 and first & 0x80 and size < 128, (first, size)
            if size == 126:
                size = struct.unpack(">H", self.take(2))[0]
                assert size > 125
            elif size == 127:
                size = struct.unpack(">Q", self.take(8))[0]
                assert size > 65535
            data = self.take(size)
            if opcode == 2:
                return data
            if opcode == 8:
                self.code = struct.unpack(">H", data[:2])[0] if data else 0
                self.why = data[2:].decode()
            else:
                assert opcode == 10 and data == self.pings.pop(0), (opcode, data)
        return b""

    def close(self):
        self.socket.close()


class Webs:
    """Carries connections of HBTP over WebSockets, for clients that know only sockets. It looks like a Server."""

    def __init__(self, server, chance, **options):
        self.server, self.methods, self.chance, self.options, self.trouble = server, server.methods, chance, options, []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.at = {"hbtp": self.listening.getsockname()}
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        with contextlib.suppress(OSError):
            while True:
                plain = self.listening.accept()[0]
                web = Web(self.server, random.Random(self.chance.random()), **self.options)
                for pump in (self.up, self.down):
                    threading.Thread(target=pump, args=(plain, web), daemon=True).start()

    def up(self, plain, web):
        with contextlib.suppress(OSError):
            while True:
                data = plain.recv(1 << 16)
                if not data:
                    web.socket.sendall(web.frame(8, struct.pack(">H", 1000)))
                    return
                web.sendall(data)

    def down(self, plain, web):
        try:
            while True:
                data = web.recv()
                if not data:
                    break
                plain.sendall(data)
        except (OSError, EOFError):
            pass
        except Exception as e:
            self.trouble.append(e)
        plain.close()
        web.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listening.close()
        if self.trouble:
            raise self.trouble[0]


def only_with_web_sockets(server):
    answer = server.fetch("/ws")
    if answer[0] == 404:
        assert b"built without WebSocket" in answer[2], answer[2]
        raise Skip("dxdb is built without WebSocket (libwslay-dev)")
    assert answer[0] == 426 and answer[1]["Upgrade"] == "websocket" and answer[1]["Sec-WebSocket-Version"] == "13", answer


def web_sockets_follow_the_table():
    """What subscribers have that are cut off and come back, over WebSocket and beside it, is what the table has."""
    chance = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
    postgres.fresh(USERS + "CREATE TABLE t (id int PRIMARY KEY, k int, v int, filler text);"
                   "INSERT INTO t SELECT i, i % 2, 0, repeat(md5(i::text), 40) FROM generate_series(0, 9) i")
    queries = {"k": {"sql": "SELECT * FROM t WHERE k = $1 ORDER BY id", "parameters": ["k"]}, "all": "SELECT * FROM t ORDER BY id",
               "large": "SELECT string_agg(md5(i::text), '') AS t FROM generate_series(1, 30000) i",
               "wide": LONG_ANSWER}
    with Server(queries, server="result_max = 2000000") as s:
        only_with_web_sockets(s)
        with Webs(s, chance) as webs:
            crowd = [Follower("k", str(i % 2)) if i % 3 else Follower("all") for i in range(6)]
            for i, f in enumerate(crowd):
                f.connect(webs if i else s)
            # One counter is of each worker, published ten times a second.
            until(lambda: s.metrics()["dxdb_websockets"] == 5 and s.metrics()["dxdb_hbtp_connections"] == 6)
            for i in range(12):
                postgres.sql("; ".join(chance.choice(("UPDATE t SET v = v + 1 WHERE id = %d", "DELETE FROM t WHERE id = %d",
                                                      "INSERT INTO t VALUES (%d, 1, 0, 'new') ON CONFLICT (id) DO UPDATE SET k = 1 - t.k, v = t.v + 1"))
                                       % chance.randrange(10) for _ in range(3)))
                if i % 4 == 3:
                    chance.choice(crowd).connect(webs)
            table = [tuple(int(n) for n in line.split("|")) for line in postgres.sql("SELECT id, k, v FROM t ORDER BY id").split("\n")]
            for f in crowd:
                until(lambda: f.now() is not None and [(r["id"], r["k"], r["v"]) for r in f.now()]
                      == [row for row in table if f.query == "all" or str(row[1]) == f.parameters[0]])
            assert sum(f.patches for f in crowd)
            s.get("wide", p="p" * 900)
            with socket.create_connection(webs.at["hbtp"]) as c:
                c.setblocking(False)
                asks_more_than_is_kept(c, s.methods["wide"])
            # Many requests at once, and answers much larger than what waits for a client.
            client = crowd[1].client
            want = "".join(hashlib.md5(b"%d" % i).hexdigest() for i in range(1, 30001)).encode()
            assert all(want in data for data in together(8, lambda _: client.call(s.methods["large"], timeout=PATIENCE)))
            assert len(set(together(20, lambda _: client.call(s.methods["all"], timeout=PATIENCE)))) == 1
            for f in crowd:
                f.close()
        until(lambda: s.metrics()["dxdb_websockets"] == 0 and s.metrics()["dxdb_hbtp_connections"] == 0)


def the_client_of_javascript_speaks_over_a_web_socket():
    if not shutil.which("node") or subprocess.run(["node", "--experimental-websocket", "-e", "new WebSocket('ws://127.0.0.1:1').onerror = () => 0"],
                                                  stderr=subprocess.DEVNULL).returncode:
        raise Skip("there is no node with WebSocket")
    postgres.fresh(USERS)
    with Server({"user": ONE_USER, "all": "SELECT id, name FROM users ORDER BY id"}) as s:
        only_with_web_sockets(s)
        code = """
            import {connectWebSocket} from %s;
            const text = (b) => new TextDecoder().decode(b);
            const client = await connectWebSocket(process.argv[1], {payload: 1 << 20});
            console.log(JSON.parse(text(await client.call(0, new TextEncoder().encode("user")))).parameters[0].name);
            const answer = await client.call(255, Uint8Array.of(2, 0)), number = new DataView(answer.buffer).getUint32(0, true);
            await client.subscribe(number, (whole, data) => console.log(whole, Buffer.from(data).toString("hex")));
            for await (const line of (await import("node:readline")).createInterface({input: process.stdin})) break;
            client.end();
        """ % json.dumps("file://" + os.path.join(top, "examples/clients/dx_hbtp.mjs"))
        node = subprocess.Popen(["node", "--experimental-websocket", "--input-type=module", "-e", code, "ws://127.0.0.1:%d/ws" % s.at["http"][1]],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert node.stdout.readline() == b"id\n", node.communicate()
        whole, data = node.stdout.readline().split()
        record = bytes.fromhex(data.decode())[16:]
        assert whole == b"true" and record == s.fetch("/q/all", {"Accept": "application/x-dx-teleport"})[2]
        postgres.sql("UPDATE users SET name = 'changed' WHERE id = 7")
        whole, data = node.stdout.readline().split()
        assert whole == b"false"
        record = bytes(patches.apply(record, bytes.fromhex(data.decode())[16:]))
        assert b"changed" in record and record == s.fetch("/q/all", {"Accept": "application/x-dx-teleport"})[2]
        out = node.communicate(b"\n", timeout=PATIENCE)
        assert out[0] == b"" and not node.returncode, out
        until(lambda: s.metrics()["dxdb_websockets"] == 0)


class Page:
    """The page of dxdb in Chromium, connected through a forwarder: dxdb_page.mjs."""

    def __init__(self, server):
        place = os.path.join(top, "build/playwright/node_modules/playwright-core")
        if not shutil.which("node") or not os.path.isdir(place) or not any(shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome")):
            raise Skip("there is no node, Chromium or playwright-core (make deps-all)")
        self.node = subprocess.Popen(["node", os.path.join(top, "tests/programs/dxdb_page.mjs"), str(server.at["http"][1])], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)

    def __call__(self, *words):
        self.node.stdin.write((" ".join(words) + "\n").encode())
        self.node.stdin.flush()
        line = self.node.stdout.readline()
        assert line, "the browser has ended: %s" % (words,)
        return json.loads(line)

    def until(self, what):
        return until(lambda: what(self("rows")), 6 * PATIENCE)

    def state(self, text):
        until(lambda: text in self("state"), 6 * PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.node.communicate(b"end\n", timeout=4 * PATIENCE)


def the_page_follows_over_a_web_socket():
    """By patches; what changes while the connection is lost is there afterwards, and nothing is sent or shown twice. Without a WebSocket it
    shows the same, and follows by events."""
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, v int, filler text); INSERT INTO t SELECT i, 0, md5(i::text) FROM generate_series(1, 20) i;"
                   "CREATE TABLE kinds AS SELECT 1::int8 AS big, 0.1::real AS small, 0.1::float8 AS f, 1.50::numeric AS n, true AS b, NULL::int AS i, NULL::text AS none,"
                   " '2026-02-03'::date AS d, 'infinity'::date AS never, '04:05:06.5'::time AS t, '1969-12-31 23:59:59.25'::timestamp AS ts,"
                   " '2026-02-03 04:05:06+00'::timestamptz AS tz, '\\x00ff'::bytea AS bytes, '00112233-4455-6677-8899-aabbccddeeff'::uuid AS u,"
                   " '{\"a\": [1, 2]}'::jsonb AS j, '{1,NULL,3}'::int[] AS ints, '{a,\"b c\"}'::text[] AS texts, '<b>&' AS markup")
    shown = ["1", "0.1", "0.1", "1.50", "true", "\u2400", "\u2400", "2026-02-03", "infinity", "04:05:06.500000", "1969-12-31T23:59:59.250000", "2026-02-03T04:05:06Z",
             "\\x00ff", "00112233-4455-6677-8899-aabbccddeeff", '{"a":[1,2]}', "[1,null,3]", '["a","b c"]', "<b>&"]
    queries = {"t": "SELECT * FROM t ORDER BY id", "kinds": "SELECT * FROM kinds", "one": {"sql": "SELECT v FROM t WHERE id = $1", "parameters": ["id"]}}
    with Server(queries) as s:
        only_with_web_sockets(s)
        with Page(s) as page:
            set_to = lambda v: postgres.sql("UPDATE t SET v = %d WHERE id = 1" % v)
            shows = lambda v: page.until(lambda sections: sections[0]["rows"] and sections[0]["rows"][0][1] == str(v))
            page("open")
            page.state("connected")
            shows(0)
            page.until(lambda sections: sections[1]["rows"] == [shown])
            page("type", "id", "1")
            page.until(lambda sections: sections[2]["rows"] == [["0"]])
            for v in range(1, 5):
                set_to(v)
                shows(v)
            assert s.metrics()["dxdb_sent_patches_total"] >= 4, s.metrics()
            # Without a change while the connection is lost, nothing is sent afterwards; a later change is sent once.
            wholes, asked = s.metrics()["dxdb_sent_wholes_total"], page("count", "/ws")
            page("cut")
            until(lambda: page("count", "/ws") > asked and s.metrics()["dxdb_subscriptions"] == 3, 6 * PATIENCE)
            page.state("connected")
            set_to(5)
            shows(5)
            assert s.metrics()["dxdb_sent_wholes_total"] - wholes <= 1, "it was sent again what it had"  # that of "one" is too small for a patch
            page("refuse", "all")
            page("cut")
            page.state("reconnecting")
            for v in (6, 7):
                set_to(v)
            page("refuse", "nothing")
            page.state("connected")
            shows(7)
            page.until(lambda sections: sections[2]["rows"] == [["7"]] and "position" in sections[2]["said"])
            values = [int(rows[0][1]) for rows in page("seen")]
            values = [v for i, v in enumerate(values) if not i or v != values[i - 1]]  # other tables are drawn, too
            assert values[:6] == [0, 1, 2, 3, 4, 5] and values == sorted(values) and values[-1] == 7, values
            # Refused where the server would have one: events, with the same text.
            page("refuse", "websocket")
            page("open")
            page.state("without WebSocket")
            page.until(lambda sections: sections[1]["rows"] == [shown])
            shows(7)
            set_to(8)
            shows(8)
            assert page("complaints") == []


def the_page_asks_for_a_token():
    postgres.fresh(USERS)
    secret = "a secret of thirty-two bytes or more"
    with open("secret", "w") as f:
        f.write(secret + "\n")
    with Server({"all": "SELECT id, name FROM users WHERE id < 3 ORDER BY id"}, server='[auth]\nsecret_file = "secret"') as s:
        only_with_web_sockets(s)
        with Page(s) as page:
            page("open")
            for text in (token("another secret of thirty-two bytes..", exp=int(time.time()) + 1000), token(secret, exp=int(time.time()) + 1000)):
                page.state("a token is required")
                page("token", text)
            page.state("connected")
            page.until(lambda sections: sections[0]["rows"] == [["1", "user 1"], ["2", "user 2"]])
            assert page("complaints") == []


def bad_web_sockets_are_refused():
    """Each wrong request has its status, and each wrong frame its code; whatever is sent, others are answered, and nothing stays open."""
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, server='origins = ["https://app.example"]\nconnections = 16\n') as s:
        only_with_web_sockets(s)
        good = Web.request()
        for find, instead, status in ((b"Upgrade: websocket", b"Upgrade: h2c", 426), (b"keep-alive, Upgrade", b"keep-alive", 426),
                                      (b"Version: 13", b"Version: 8", 426), (b"Version: 13", b"Version: 13, 8", 426), (b"HTTP/1.1", b"HTTP/1.0", 400),
                                      (b"GET", b"HEAD", 400), (b"==", b"=A", 400), (b"==", b"", 400), (b"AAEC", b"A\xc3\xa4C", 400),
                                      (b"Sec-WebSocket-Key: ", b"X: ", 400), (b"Host", b"Sec-WebSocket-Key: " + Web.KEY + b"\r\nHost", 400),
                                      (b"Host", b"Origin: http://other\r\nHost", 403), (b"Host", b"Origin: null\r\nHost", 403),
                                      (b"Host", b"Origin: here\r\nHost", 403), (b"Host", b"Origin: http://her\r\nHost", 403),
                                      (b"Host", b"Origin: https://app.example.org\r\nHost", 403), (b"Host", b"Origin: http://app.example\r\nHost", 403),
                                      (b"GET", b"POST", 405)):
            bad = good.replace(find, instead, 1)
            assert bad != good
            out = s.raw(bad + Web.frame(2, b"x"))
            assert out.startswith(b"HTTP/1.1 %d " % status) and out.count(b"HTTP/1.1 ") == 1, (bad, out)
        for origin in (b"http://here", b"https://HERE", b"https://app.example"):
            web = Web(s, fields=b"Origin: " + origin + b"\r\n")
            assert web.head.startswith(b"HTTP/1.1 101 "), (origin, web.head)
            web.close()
        ping = struct.pack("<BBHI", dx_hbtp.PING, 0, 1, 3) + b"hey"
        pong = struct.pack("<BBHI", dx_hbtp.PONG, 0, 1, 3) + b"hey"
        f = Web.frame
        for name, data, code in (
                ("not masked", f(2, ping, mask=b""), 1002), ("reserved bit", bytes([f(2, ping)[0] | 0x40]) + f(2, ping)[1:], 1002),
                ("reserved opcode", f(3, ping), 1002), ("reserved control", f(11), 1002), ("continues nothing", f(0, ping), 1002),
                ("not continued", f(2, ping[:4], fin=False) + f(2, ping[4:]), 1002), ("fragmented ping", f(9, b"x", fin=False), 1002),
                ("large ping", f(9, b"x" * 126), 1002), ("fragmented close", f(8, fin=False), 1002), ("close of one byte", f(8, b"\3"), 1002),
                ("close with a bad code", f(8, struct.pack(">H", 1005)), 1002), ("close with bad text", f(8, struct.pack(">H", 1000) + b"\xff"), 1007),
                ("longer form than needed", f(2, ping, form=3), 1002), ("much longer form", f(2, ping, form=9), 1002),
                ("text", f(1, b"hello"), 1003), ("text in pieces", f(1, b"hel", fin=False) + f(0, b"lo"), 1003),
                ("above the limit", b"\x82\xff" + struct.pack(">Q", 65537) + b"\0" * 4, 1009), ("huge", b"\x82\xff" + struct.pack(">Q", (1 << 63) - 1) + b"\0" * 4, 1009),
                ("negative", b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"\0" * 4, 1002), ("a good close", f(8, struct.pack(">H", 1000)), 1000), ("an empty close", f(8), 0)):
            web = Web(s, early=f(2, ping))
            assert web.recv() == pong
            web.socket.sendall(data + f(2, ping) * 3)
            try:
                end = web.recv()
            except (EOFError, ConnectionError) as e:
                end = e
            assert end == b"" and web.code == code, (name, end, web.code)
            with contextlib.suppress(ConnectionError):
                assert web.socket.recv(1) == b"", name
            web.close()
        # Halves of everything, then the end; and seeded nonsense after a good beginning.
        chance = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
        call = struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 6) + b"\1" + arguments("7")
        whole = f(2, call[:5], fin=False) + f(9, b"between") + f(0, call[5:]) + f(8)
        for i in range(60):
            web = Web(s)
            data = bytearray(whole)
            if i >= len(whole):
                data = data * 3
                for _ in range(chance.randrange(1, 4)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(ConnectionError):
                web.socket.sendall(data[:i] if i < len(whole) else data)
                web.socket.shutdown(socket.SHUT_WR)
                while web.socket.recv(65536):
                    pass
            web.close()
        # More than there is room for: the first ones stay, the next is told.
        webs = [Web(s, early=f(2, ping)) for _ in range(15)]
        assert all(web.recv() == pong for web in webs)
        for web in webs:
            web.close()
        until(lambda: s.metrics()["dxdb_websockets"] == 0)
        links = [socket.create_connection(s.at["hbtp"]) for _ in range(16)]
        until(lambda: s.metrics()["dxdb_hbtp_connections"] == 16)
        assert Web(s).head.startswith(b"HTTP/1.1 503 ")
        for link in links:
            link.close()
        until(lambda: s.metrics()["dxdb_hbtp_connections"] == 0 and s.metrics()["dxdb_http_connections"] == 1)
        assert s.get("user", id=7) == [{"id": 7, "name": "user 7"}]


def a_web_socket_that_does_not_read_is_ended():
    """As a subscriber with a reason that it reads later; as one that only asks, or only sends pings, without one. Memory is bounded."""
    rounds = 10
    postgres.fresh("CREATE TABLE t (v int, filler bytea); INSERT INTO t VALUES (0, '');"  # random bytes have no shorter patch
                   "CREATE TABLE blobs AS SELECT i, string_agg(decode(md5(i * 100000 + j || ''), 'hex'), '') AS b"
                   " FROM generate_series(1, %d) i, generate_series(1, 48000) j GROUP BY i" % rounds)
    with Server({"t": "SELECT * FROM t"}, cache="[subscribe]\nlag_ms = 1000", server="result_max = 1000000") as s:
        only_with_web_sockets(s)
        assert s.metrics()['dxdb_stuck_total{output="websocket"}'] == 0

        silent, reader = Raw(s, socket=Web(s, receive=4096)), Raw(s, socket=Web(s))
        for one in (silent, reader):
            one.follow(1, b"")
        asks, pings = Web(s, receive=4096), Web(s, receive=4096)
        before, sent = s.memory(), [0, 0]
        call = Web.frame(2, struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 1) + b"\1")

        def flood(i, web, data):
            """Until it is closed, or would have to wait for long."""
            web.socket.settimeout(4 * PATIENCE)
            with contextlib.suppress(ConnectionError):
                while True:
                    web.socket.sendall(data)
                    sent[i] += len(data)

        def write():
            writer = subprocess.Popen(["psql", "-Xq", "-d", postgres.url], stdin=subprocess.PIPE)
            for v in range(1, rounds + 1):
                writer.stdin.write(b"UPDATE t SET v = %d, filler = b FROM blobs WHERE i = %d;\n" % (v, v))
                writer.stdin.flush()
                reader.change()
            writer.communicate()
        together(3, lambda i: write() if i == 2 else flood(i, (asks, pings)[i], (call * 100, Web.frame(9, b"x" * 125) * 100)[i]))
        assert s.memory() - before < (48 << 10) or "asan" in DXDB, (before, s.memory())
        assert max(sent) < 32 << 20, sent  # without reading it does not accept more, either
        until(lambda: s.metrics()["dxdb_websockets"] == 1)
        # Those that are told why (who subscribed, and who has answers waiting), and those that are cut off, some of them after that.
        stuck, lagging = s.metrics()['dxdb_stuck_total{output="websocket"}'], s.metrics()["dxdb_lagging_total"]
        assert 2 <= stuck <= 3 and lagging <= 2 and stuck + lagging >= 3, s.metrics()
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                silent.frame()
        reader.close()
        for web in (asks, pings):
            web.close()
        silent.close()
        # The end of the server: HBTP says why, then WebSocket that it goes away.
        last = Raw(s, socket=Web(s))
        last.follow(1, b"")
    opcodes = []
    with contextlib.suppress(EOFError):
        while True:
            opcodes.append(last.frame()[0])
    assert dx_hbtp.CLOSE in opcodes and last.socket.code == 1001, (opcodes, last.socket.code)
    last.close()


def limited(client):
    """Ask more at once than the limit allows, and whether one is refused for that."""
    def ask(_):
        try:
            return client.call(1, arguments("1"), timeout=PATIENCE) and 200
        except dx_hbtp.HbtpError as e:
            return e.status
    found = set(together(12, ask))
    assert found <= {200, 429}, found
    return 429 in found


def an_answer_for_many_is_kept_once():
    """Many ask for the same large result before it is known, and none of them reads."""
    clients, calls, size = 16, 60, 900000
    postgres.fresh("CREATE TABLE t (v text); INSERT INTO t VALUES (repeat('x', %d))" % size)
    with Server({"t": "SELECT v FROM t, (SELECT 1 AS one, pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)) x"}) as s, Lock() as lock:
        raws = [Raw(s, receive=4096) for _ in range(clients)]
        before = s.memory()
        for raw in raws:
            for number in range(1, calls + 1):
                raw.socket.sendall(struct.pack("<BBHI", dx_hbtp.CALL, 4, number, 1) + b"\1")
        until(lambda: s.metrics()["dxdb_joined_total"] == clients * calls - 1)
        lock.free()
        until(lambda: s.metrics()["dxdb_pool_running"] == 0)
        after = s.memory()
        assert after - before < (100 << 10) or "asan" in DXDB, (before, after)
        for _ in range(calls):
            opcode, body = raws[0].frame()
            assert opcode == dx_hbtp.RESPONSE and size < len(body) < size + 200 and body.count(b"x") >= size, (opcode, len(body))
        for raw in raws:
            raw.close()


def answers_that_nobody_reads_are_bounded():
    """Each of many clients asks for large results of its own, and reads none."""
    clients, calls, size = 20, 15, 900000
    postgres.fresh(USERS)
    queries = {"t": {"sql": "SELECT repeat(md5($1), %d) AS v" % (size // 32), "parameters": ["p"]}, "user": ONE_USER}
    with Server(queries, server="connections = 64\nrequest_ms = 60000", cache="bytes = 2000000\n[subscribe]\nlag_ms = 600000") as s:
        raws = [Raw(s, receive=4096) for _ in range(clients)]
        before, largest = s.memory(), 0
        for number in range(1, calls + 1):
            for place, raw in enumerate(raws):
                value = arguments("%d of %d" % (number, place))
                raw.socket.sendall(struct.pack("<BBHI", dx_hbtp.CALL, 4, number, 1 + len(value)) + b"\1" + value)
        done = lambda: s.metrics()["dxdb_loads_total"] >= clients * calls and not s.metrics()["dxdb_pool_running"] + s.metrics()["dxdb_pool_waiting"]
        while not done():
            largest = max(largest, s.metrics()["dxdb_hbtp_unread_bytes"])
        found, grown = s.metrics(), s.memory() - before
        largest = max(largest, found["dxdb_hbtp_unread_bytes"])
        assert (32 << 20) < largest <= 64 << 20 and found["dxdb_hbtp_unread_refused_total"] > 100, (largest, found["dxdb_hbtp_unread_refused_total"])
        assert grown < (180 << 10) or "asan" in DXDB, grown  # 264 MB are unread
        with s.hbtp() as client:  # who reads is answered, large results too
            assert b"user 1" in client.call(2, arguments("1"), timeout=PATIENCE)
            assert size < len(client.call(1, arguments("mine"), timeout=PATIENCE)) < size + 200
        statuses = collections.Counter()
        for _ in range(calls):
            opcode, body = raws[0].frame()
            statuses[200 if opcode == dx_hbtp.RESPONSE else struct.unpack_from("<H", body)[0]] += 1
        assert set(statuses) <= {200, 503} and statuses[200], statuses
        for raw in raws:
            raw.close()
        until(lambda: s.metrics()["dxdb_hbtp_unread_bytes"] == 0)
    # Who does not read at all is cut off, whatever it has not subscribed to; who has nothing to read is not.
    with Server(queries, cache="[subscribe]\nlag_ms = 1000") as s, Raw(s) as idle, Raw(s, receive=4096) as raw:
        for number in range(1, 13):
            value = arguments(str(number))
            raw.socket.sendall(struct.pack("<BBHI", dx_hbtp.CALL, 4, number, 1 + len(value)) + b"\1" + value)
        until(lambda: s.metrics()["dxdb_lagging_total"] == 1 and s.metrics()["dxdb_hbtp_unread_bytes"] == 0)
        until(lambda: s.metrics()["dxdb_hbtp_connections"] == 1)
        value = arguments("5")
        idle.socket.sendall(struct.pack("<BBHI", dx_hbtp.CALL, 4, 1, 1 + len(value)) + b"\2" + value)
        assert b"user 5" in idle.answer()


def who_does_not_read_leaves_room_for_others():
    """Three clients ask for more than all may keep, and read nothing: who reads still gets all of many large answers."""
    hogs, calls, size = 3, 40, 900000
    postgres.fresh(USERS)
    queries = {"t": {"sql": "SELECT repeat(md5($1), %d) AS v" % (size // 32), "parameters": ["p"]}}
    with Server(queries, server="request_ms = 60000", cache="bytes = 2000000\n[subscribe]\nlag_ms = 600000") as s:
        def ask(raw, name, count):
            for number in range(1, count + 1):
                value = arguments("%d of %s" % (number, name))
                raw.socket.sendall(struct.pack("<BBHI", dx_hbtp.CALL, 4, number, 1 + len(value)) + b"\1" + value)
        def loaded(count):
            until(lambda: s.metrics()["dxdb_loads_total"] == count and not s.metrics()["dxdb_pool_running"] + s.metrics()["dxdb_pool_waiting"])
        raws = [Raw(s, receive=4096) for _ in range(hogs)]
        for place, raw in enumerate(raws):
            ask(raw, place, calls)
            loaded((place + 1) * calls)
        found = s.metrics()
        assert (40 << 20) < found["dxdb_hbtp_unread_bytes"] < 60 << 20 and found["dxdb_hbtp_unread_refused_total"] > 10, found
        with Raw(s, receive=4096) as late:
            ask(late, "late", 8)
            loaded(hogs * calls + 8)
            for _ in range(8):
                opcode, body = late.frame()
                assert opcode == dx_hbtp.RESPONSE and size < len(body) < size + 200, (opcode, body[:100])
        for raw in raws:
            raw.close()
        until(lambda: s.metrics()["dxdb_hbtp_unread_bytes"] == 0)


def mw_4_6_a_web_socket_needs_a_token_in_its_hello():
    postgres.fresh(USERS)
    secret = "a secret of thirty-two bytes or more"
    with open("secret", "w") as f:
        f.write(secret + "\n")
    with Server({"user": ONE_USER}, server='[auth]\nsecret_file = "secret"\n[limit]\nrate = 5\n') as s:
        only_with_web_sockets(s)
        with Webs(s, random.Random(1)) as webs:
            now = int(time.time())
            for bad in ("", "x", token(secret, exp=now - 1), token("another secret of thirty-two bytes..", exp=now + 100)):
                try:
                    hbtp_as(webs, bad).close()
                    raise AssertionError("the Hello is accepted: %s" % bad)
                except dx_hbtp.HbtpError as e:
                    assert "401" in str(e), e
            with dx_hbtp.Client(*webs.at["hbtp"], hello=False) as client:
                refused(401, client, 1, arguments("1"))
            short = token(secret, sub="cat", exp=int(time.time()) + 2)
            with hbtp_as(webs, token(secret, sub="ann", exp=now + 100)) as client, hbtp_as(webs, short) as brief:
                assert brief.call(1, arguments("1"))
                until(lambda: limited(client))
                time.sleep(2.1)
                refused(401, brief, 1, arguments("1"))
    # Without tokens the limit is one of the address, for both protocols together.
    with Server({"user": ONE_USER}, server="[limit]\nrate = 5\n") as s, Webs(s, random.Random(1)) as webs, \
            dx_hbtp.Client(*webs.at["hbtp"]) as client:
        until(lambda: limited(client) and s.fetch("/q/user?id=1")[0] == 429 and Web(s).head.startswith(b"HTTP/1.1 429 "))


def a_write_is_one_transaction():
    postgres.fresh(USERS + MOVES)
    with Server({"user": ONE_USER}, writes=WRITES) as s, s.hbtp() as client:
        assert json.loads(client.call(0, b"move")) == {"write": "move", "method": 3, "statements": 3,
                                                       "parameters": [{"name": "from"}, {"name": "to"}, {"name": "name"}]}
        at, counts = s.write(client, "set", "1", "it's $1; DROP TABLE users; --")
        assert counts == [1] and at > 0
        assert s.get("user", id=1) == [{"id": 1, "name": "it's $1; DROP TABLE users; --"}] or until(lambda: "DROP" in s.get("user", id=1)[0]["name"])
        then, counts = s.write(client, "move", "1", "2", "moved")
        assert counts == [1, 1, 1] and then > at
        assert s.write(client, "set", "1000", "nobody")[1] == [0] and s.write(client, "set", "3", None)[1] == [1]
        before = postgres.sql("SELECT * FROM users ORDER BY id; SELECT * FROM moves")
        for values, status, text in (((("move"), "3", "60", "x"), 409, "check"), (("move", "1", "2", "x"), 409, "unique"),
                                     (("move", "x", "2", "x"), 400, "integer"), (("set", "1"), 400, ""), (("move", "4", "2147483648", "x"), 400, "range")):
            found = refusal_of(lambda: s.write(client, *values))
            assert found[0] == status and text in found[1], (values, found)
        assert postgres.sql("SELECT * FROM users ORDER BY id; SELECT * FROM moves") == before
        assert s.get("user", id=5) == [{"id": 5, "name": "user 5"}]  # the connections are as before: read-only, and in no transaction
        assert s.metrics()["dxdb_writes_total"] == 4
        # A pool of one: a write that fails leaves nothing behind for the next request.
    with Server({"user": ONE_USER}, writes=WRITES, database="pool = 1") as s, s.hbtp() as client:
        for _ in range(3):
            assert refusal_of(lambda: s.write(client, "move", "3", "60", "x"))[0] == 409
            assert s.get("user", id=6) == [{"id": 6, "name": "user 6"}]
            assert s.write(client, "set", "6", "user 6")[1] == [1]


SESSION = {  # writes, each of which leaves something in its session
    "set": "SET search_path = other", "reset": "SET statement_timeout = 1", "custom": "SET app.x = 'set'", "role": "SET ROLE somebody", "auth": "SET SESSION AUTHORIZATION somebody",
    "config": "SELECT set_config('app.x', 'config', false)", "temp": "CREATE TEMP TABLE users AS SELECT 1 AS id, 'temp' AS name", "into": "SELECT 1 AS id, 'temp' AS name INTO TEMP users",
    "lock": "SELECT pg_advisory_lock(7)", "listen": "LISTEN something", "hold": "DECLARE held CURSOR WITH HOLD FOR SELECT 1", "prepare": "DO $$BEGIN EXECUTE 'PREPARE mine AS SELECT 1'; END$$",
    "insert": "INSERT INTO log SELECT leave('insert')", "default": "INSERT INTO log DEFAULT VALUES", "do": "DO $$BEGIN PERFORM leave('do'); END$$", "zone": "SET TimeZone = 'Asia/Tokyo'",
    "fails": ["SELECT pg_advisory_lock(7)", "SET app.x = 'fails'", "SELECT 1 / 0"], "as": ["SELECT set_config('role', 'somebody', false)", "INSERT INTO log VALUES ('as')"],
}


def a_request_leaves_nothing_in_its_session():
    """With one connection, whatever a write or a query has changed of its session is gone for the next request."""
    postgres.fresh("DROP SCHEMA IF EXISTS other CASCADE; DROP ROLE IF EXISTS somebody; CREATE ROLE somebody; " + USERS +
                   "CREATE SCHEMA other; CREATE TABLE other.users AS SELECT 1 AS id, 'other' AS name; CREATE FUNCTION leave(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN "
                   "PERFORM set_config('app.x', $1, false), set_config('search_path', 'other', false), pg_advisory_lock(7); RETURN $1; END$$;"
                   "CREATE TABLE log (v text DEFAULT leave('default')); GRANT ALL ON log TO somebody; GRANT USAGE ON SCHEMA public TO somebody")
    state = ("SELECT coalesce(current_setting('app.x', true), '') || '/' || current_user || '/' || session_user || '/' || current_setting('search_path') || '/' ||"
             " current_setting('statement_timeout') || '/' || current_setting('TimeZone') || '/' || current_setting('transaction_read_only') || '/' ||"
             " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') || '/' || (SELECT count(*) FROM pg_listening_channels()) || '/' ||"
             " (SELECT count(*) FROM pg_cursors WHERE is_holdable) || '/' || (SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine') AS v")
    queries = {"state": state, "user": ONE_USER, "configured": "SELECT set_config('app.x', 'query', false) AS v", "locks": "SELECT pg_advisory_lock(7)::text AS v",
               "leave": "SELECT leave('query') AS v, pg_advisory_unlock(7) AS free", "broken": "SELECT set_config('app.x', 'broken', false), 1 / 0 AS v"}
    writes = {name: {"sql": sql} for name, sql in SESSION.items()} | {"rename": {"sql": "UPDATE users SET name = $1 WHERE id = 2", "parameters": ["name"]}}
    with Server(queries, writes=writes, database="pool = 1") as s:
        clean = s.get("state")
        assert clean == [{"v": "/test/test/\"$user\", public/5s/UTC/on/0/0/0/0"}], clean
        backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dxdb'"
        pid = postgres.sql(backend)

        def is_clean(after):
            now = s.get("state")
            assert now == clean, (after, now)
            assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}], after
            assert s.post("rename", {"name": after})["rows"] == [1]
        for name in SESSION:
            s.post(name, {}, 400 if name == "fails" else 200)
            is_clean(name)
        for name in ("configured", "locks", "leave", "broken"):
            s.get(name, 400 if name == "broken" else 200)
            is_clean(name)
        assert postgres.sql(backend) == pid, "it was another session"
    # A database without functions, which then gets one.
    postgres.fresh(USERS)
    writes = {name: {"sql": SESSION[name]} for name in ("config", "set", "role")} | {"rename": writes["rename"]}
    with Server({"state": state, "user": ONE_USER}, writes=writes, database="pool = 1") as s:
        for name in writes:
            s.post(name, {"name": "x"} if name == "rename" else {})
            assert s.get("state") == clean, name
        resets = s.metrics()["dxdb_resets_total"]
        postgres.sql("CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('app.x', 'later', false); RETURN NEW; END$$;"
                     "CREATE TRIGGER later BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION later()")
        until(lambda: s.metrics()["dxdb_resets_total"] > resets)
        for i in range(3):
            assert s.post("rename", {"name": str(i)})["rows"] == [1] and s.get("state") == clean
    postgres.sql("SET client_min_messages = warning; DROP SCHEMA other CASCADE; DROP OWNED BY somebody; DROP ROLE somebody")


def a_write_that_cannot_be_is_named_at_the_start():
    postgres.fresh(USERS)
    writes = {"good": {"sql": ["UPDATE users SET name = $1 WHERE id = $2", "SELECT $2::int"], "parameters": ["name", "id"]},
              "lost": {"sql": ["UPDATE users SET name = $1", "INSERT INTO nowhere VALUES ($2)"], "parameters": ["a", "b"]}}
    with Server({"user": ONE_USER}, writes=writes, server="workers = 2") as s:
        until(lambda: s.metrics()["dxdb_up"] == 2)
        want = 'write lost: statement 2 cannot be prepared now: relation "nowhere" does not exist'
        assert s.said().count(want) == 1 and s.said().count("write ") == 1, s.said()
        assert s.post("good", {"name": "x", "id": 1})["rows"] == [1, 1] and s.get("user", id=1) == [{"id": 1, "name": "x"}]
        postgres.sql("NOTIFY dxdb, '*'")  # a new description says so again
        until(lambda: s.said().count(want) == 2)
        postgres.sql("CREATE TABLE nowhere (x text)")
        until(lambda: s.fetch("/healthz")[0] == 200)
        assert s.post("lost", {"a": "y", "b": "z"})["rows"] == [100, 1]


def what_the_database_says_has_a_prefix():
    """Also what libpq would print by itself, in several lines: why a connection ends that nobody uses, and warnings."""
    postgres.fresh(USERS)
    warns = {"warns": {"sql": "DO $x$ BEGIN RAISE NOTICE 'not this'; RAISE WARNING 'a warning' USING DETAIL = 'and a second line'; END $x$"}}
    with Server({"user": ONE_USER}, writes=warns) as s:
        s.get("user", id=1)
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dxdb%'")
        until(lambda: "caching is suspended: terminating connection due to administrator command" in s.said())
        until(lambda: s.fetch("/healthz")[0] == 200)
        s.post("warns", {})
        until(lambda: "the database warns: a warning\n" in s.said())
        assert "not this" not in s.said() and "a second line" not in s.said() and "57P01" not in s.said(), s.said()


def what_became_of_a_write_is_said():
    postgres.fresh(USERS)
    slow = {"slow": {"sql": ["UPDATE users SET name = 'slow' WHERE id = 1", "SELECT pg_sleep($1::float8)"], "parameters": ["s"]}}
    with Server({"user": ONE_USER}, writes=slow, server="request_ms = 1000", database="pool = 1") as s, s.hbtp() as client:
        found = refusal_of(lambda: s.write(client, "slow", "30"))
        assert found[0] == 504, found
        until(lambda: s.fetch("/q/user?id=1")[0] == 200)
        assert postgres.sql("SELECT name FROM users WHERE id = 1") == "user 1"

        def kill():
            until(lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dxdb' AND query LIKE '%pg_sleep%'"
                                       " AND state = 'active' AND pid <> pg_backend_pid()") == "1")
            postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dxdb'")
        found = together(2, lambda i: kill() if i else refusal_of(lambda: s.write(client, "slow", "1.8")))[0]
        assert found[0] in (500, 503, 504), found
        assert "terminating connection" in found[1] or "may have been committed" in found[1] or found[0] == 504, found
        postgres.stop()
        try:
            found = refusal_of(lambda: s.write(client, "slow", "0"))
            assert found[0] == 503 and "the database cannot be reached" in found[1], found  # not begun
        finally:
            postgres.start()
        until(lambda: s.fetch("/healthz")[0] == 200)
        assert s.write(client, "slow", "0")[1] == [1, 1]


def a_write_that_failed_is_not_in_the_database():
    """Whatever becomes of its connection at each place around the commit. An error that the database itself reports is a failure; what may
    have been lost after the commit is unknown."""
    r = random.Random(1)
    postgres.fresh("CREATE TABLE done (number int PRIMARY KEY, late int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    add = {"add": {"sql": ["INSERT INTO done (number) VALUES ($1)", "UPDATE done SET late = $2 WHERE number = $1"], "parameters": ["number", "late"]}}
    ends = Ends(r, 2.5)
    network = Network(connect_database, ends)
    steps = [(place, what) for place in Ends.PLACES for what in Ends.WHATS if place not in ("asked", "sent") or what in ("cut", "late")] \
        + [(None, why) for why in ("number", "late", "value", None)] * 5
    r.shuffle(steps)
    said, wants = {}, {"asked": [None], "sent": [None], "statement": [None], "commit": [None], "sync": [1, None], "position": [1]}
    with Server({"done": "SELECT number FROM done"}, writes=add, database="pool = 16\nheartbeat_ms = 500", server="request_ms = 2000",
                url=network.url) as s, s.hbtp() as client:
        s.write(client, "add", "0", "0")
        for number, (place, what) in enumerate(steps, 1):
            until(lambda: s.metrics()["dxdb_pool_connections"] >= 4)
            values = ["0" if what == "number" and not place else str(number), str(0 if what == "late" and not place else "x" if what == "value" else number)]
            ends.next = place and (place, what)
            try:
                assert s.write(client, "add", *values)[1] == [1, 1] and not place and what is None, (place, what, "it was acknowledged")
                end, found = 1, (200, "")
            except dx_hbtp.HbtpError as e:
                found = (e.status, e.text)
                end = end_of_write(*found)
            assert not ends.next, "its end was not changed"
            said[number] = (end, place, what, found)
            if place:
                assert end in wants[place], said[number]
            elif what:
                assert found[0] == (400 if what == "value" else 409) and end == 0, said[number]
    until(lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dxdb'") == "0")
    there = {int(n) for n in postgres.sql("SELECT number FROM done").split()}
    for number, (end, *more) in said.items():
        assert end is None or end == (number in there), (end, number in there, *more)
    found = collections.Counter((place, end) for end, place, _, _ in said.values())
    assert found["sync", 1] and found["position", 1] == len(Ends.WHATS) and found[None, 0] == 15 and found[None, 1] == 5, found
    unknown = [number in there for number, (end, *_) in said.items() if end is None]
    assert any(unknown) and not all(unknown), "nothing was cut off before the commit, or after it"


def who_has_written_reads_nothing_older():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, writes=WRITES | {"move": WRITES["set"]}, server="workers = 2\nrequest_ms = 2000") as s, s.hbtp() as client:
        until(lambda: s.metrics()["dxdb_up"] == 2)
        kind = json.loads(client.call(0, b"user"))["type"]

        def read(client, at=b""):
            record = client.call(s.methods["user"], arguments("1") + at, timeout=PATIENCE)
            return records().open_record(kind, record, 0)["rows"][0]["name"]

        def work(i):
            with s.hbtp() as mine:
                for k in range(12):
                    at, _ = s.write(mine, "set", "1", "%d %d" % (i, k))
                    newest = postgres_order(read(mine, struct.pack("<Q", at)))
                    assert newest >= (i, k) or newest[0] != i, (i, k, newest)

        def postgres_order(name):
            return tuple(int(n) for n in name.split())
        together(3, work)
        # Notifications stop: what is in memory is old, and a read with the position waits for them.
        at, _ = s.write(client, "set", "1", "old")
        assert read(client, struct.pack("<Q", at)) == read(client) == "old"  # in memory from here on
        pids = [int(p) for p in postgres.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'dxdb catalog'").split()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            at, _ = s.write(client, "set", "1", "new")
            assert read(client) == "old", "it is known too early"
            assert read(client, struct.pack("<Q", at)) == "new"  # once the connection is given up, or answers
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        until(lambda: s.metrics()["dxdb_up"] == 2)
        begun = time.monotonic()
        found = refusal_of(lambda: read(client, struct.pack("<Q", 1 << 60)))
        assert found[0] == 503 and "10000000/0" in found[1] and 1.9 < time.monotonic() - begun < 10, found
        at = int(postgres.sql("UPDATE users SET name = 'psql' WHERE id = 1; SELECT pg_current_wal_insert_lsn() - '0/0'"))
        assert read(client, struct.pack("<Q", at)) == "psql"


# ---- with replication as the source of changes
def replication_does_what_triggers_do():
    p19_dt_4_w_43_st_22_a_result_is_kept_until_its_table_changes(REPLICATED)
    dt_5_nobody_sees_a_version_twice(REPLICATED)
    views_partitions_and_children_are_followed(REPLICATED)
    a_change_of_the_schema_is_seen(REPLICATED)
    what_is_replaced_beside_the_tables_is_seen(REPLICATED)


def replication_comes_back():
    dt_8_a_database_that_restarts_is_come_back_to(REPLICATED)
    for name in ("dxdb catalog", "dxdb replication"):
        dt_8_a_change_while_nobody_listens_is_not_missed(REPLICATED, name)
    until(lambda: postgres.sql("SELECT count(*) FROM pg_replication_slots") == "0")  # a dxdb that is gone keeps no log


def replication_goes_by_key():
    only_sets_whose_key_changed_are_read_again(REPLICATED)


def replication_misses_no_key():
    what_depends_on_a_key_is_never_missed(REPLICATED, 8)
    a_key_is_only_what_equals_by_its_bytes(REPLICATED)


def replication_waits_until_a_change_is_visible():
    """With a standby that does not answer, a commit is in the log and replicated, and nobody can see it yet: a result that is read now
    must not stay in memory after it."""
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, database=REPLICATED) as s:
        assert s.get("user", id=7) == [{"id": 7, "name": "user 7"}]
        postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        postgres.sql("SELECT pg_reload_conf()")
        until(lambda: postgres.sql("SHOW synchronous_standby_names") == "nobody")
        try:
            writer = subprocess.Popen(["psql", "-Xq", "-d", postgres.url, "-c", "UPDATE users SET name = 'new' WHERE id = 7"])
            until(lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1")
            at = postgres.sql("SELECT pg_current_wal_flush_lsn()")
            until(lambda: postgres.sql("SELECT flush_lsn >= '%s' FROM pg_stat_replication WHERE application_name = 'dxdb replication'" % at) == "t")
            told = s.metrics()["dxdb_notifications_total"]
            for _ in range(3):
                assert s.get("user", id=7) == [{"id": 7, "name": "user 7"}]
        finally:
            postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
            postgres.sql("SELECT pg_reload_conf()")
        assert writer.wait(PATIENCE) == 0
        until(lambda: s.metrics()["dxdb_notifications_total"] > told)
        assert s.get("user", id=7) == [{"id": 7, "name": "new"}]


def replication_sees_what_happens_to_tables():
    postgres.fresh(USERS + "CREATE VIEW v AS SELECT id, name FROM users; CREATE TABLE bare (k int, v int); INSERT INTO bare VALUES (1, 1);"
                   "CREATE UNLOGGED TABLE u (v int); INSERT INTO u VALUES (1)")
    queries = {"view": {"sql": "SELECT name FROM v WHERE id = $1 /* by view */", "parameters": ["id"]},
               "bare": {"sql": "SELECT v FROM bare WHERE k = $1", "parameters": ["k"]}, "u": "SELECT v FROM u /* unlogged */"}
    with Server(queries, database=REPLICATED) as s:
        assert postgres.sql("SELECT relreplident FROM pg_class WHERE oid IN ('bare'::regclass, 'users'::regclass) ORDER BY relname") == "f\nd"
        assert "u is not published" in s.said() and s.get("u") == [{"v": 1}]
        before = postgres.runs("* unlogged")
        assert s.get("u") == [{"v": 1}] and postgres.runs("* unlogged") == before + 1
        one, two, bare = Events(s, "/q/view/live?id=1"), Events(s, "/q/view/live?id=200"), Events(s, "/q/bare/live?k=1")
        assert one.next()[1] == [{"name": "user 1"}] and two.next()[1] == [] and bare.next()[1] == [{"v": 1}]
        postgres.sql("UPDATE users SET id = 200 WHERE id = 1")  # out of one and into another
        assert one.next()[1] == [] and two.next()[1] == [{"name": "user 1"}]
        postgres.sql("ALTER TABLE users RENAME TO people; ALTER TABLE people ADD COLUMN age int; UPDATE people SET name = 'x', age = 1 WHERE id = 200")
        while two.next()[1] != [{"name": "x"}]:
            pass
        postgres.sql("ALTER TABLE people RENAME COLUMN id TO number; UPDATE people SET name = 'y' WHERE number = 200")
        while two.next()[1] != [{"name": "y"}]:
            pass
        postgres.sql("UPDATE bare SET k = 2, v = 2; UPDATE bare SET k = 1")
        while bare.next()[1] != [{"v": 2}]:
            pass
        for stream in (one, two, bare):
            stream.socket.close()
        # A table that leaves the publication, and comes back.
        resets = s.metrics()["dxdb_resets_total"]
        postgres.sql("ALTER PUBLICATION dxdb DROP TABLE bare")
        until(lambda: json.loads(s.fetch("/q/bare/describe")[2] if s.fetch("/q/bare/describe")[0] == 200 else "{}").get("cached") is False)
        assert s.metrics()["dxdb_resets_total"] > resets
        postgres.sql("ALTER PUBLICATION dxdb ADD TABLE bare WHERE (k > 0)")
        until(lambda: s.metrics()["dxdb_resets_total"] > resets + 2 and s.metrics()["dxdb_up"] == 1)
        assert json.loads(s.fetch("/q/bare/describe")[2])["cached"] is False, "what a filter leaves out is missed"


def replication_of_a_storm_and_of_a_large_transaction():
    postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(0, 19999) i")
    query = {"sql": "SELECT v FROM t WHERE id = $1", "parameters": ["id"]}
    with Server({"t": query}, database=REPLICATED) as s:
        stream = Events(s, "/q/t/live?id=3")
        assert stream.next()[1] == [{"v": 0}]
        subprocess.run(["psql", "-Xq", "-d", postgres.url], input=b"SET synchronous_commit = off;\n" +
                       b"".join(b"UPDATE t SET v = %d WHERE id = %d;\n" % (v, v % 4) for v in range(3000)), check=True)
        while stream.next()[1] != [{"v": 2999}]:
            pass
        postgres.sql("UPDATE t SET v = 5000; UPDATE t SET v = 5001 WHERE id > 10")
        while stream.next()[1] != [{"v": 5000}]:
            pass
        until(lambda: s.metrics()["dxdb_replication_lag_bytes"] == 0)
        stream.socket.close()


def who_has_written_reads_nothing_older_by_replication():
    """Also while another transaction has written to the log what nobody flushes."""
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, writes=WRITES, server="workers = 2", database=REPLICATED) as s, s.hbtp() as client, \
            subprocess.Popen(["psql", "-XqAt", "-d", postgres.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        until(lambda: s.metrics()["dxdb_up"] == 2)
        assert s.metrics()['dxdb_source{source="replication"}'] == 2
        kind = json.loads(client.call(0, b"user"))["type"]
        other.stdin.write(b"BEGIN;\n")
        for k in range(20):
            other.stdin.write(b"UPDATE users SET name = 'not yet' WHERE id = %d; SELECT 'done';\n" % (50 + k))
            other.stdin.flush()
            other.stdout.readline()
            with s.hbtp() as mine:
                s.get("user", id=1)
                at, _ = s.write(mine, "set", "1", str(k))
                record = mine.call(s.methods["user"], arguments("1") + struct.pack("<Q", at), timeout=PATIENCE)
                assert records().open_record(kind, record, 0)["rows"][0]["name"] == str(k)
        unflushed = 0
        for _ in range(50):  # the end of the log is in the transaction of the other; a server that has time flushes it by itself
            other.stdin.write(b"UPDATE users SET name = name || '.' WHERE id = 50; SELECT 'done';\n")
            other.stdin.flush()
            other.stdout.readline()
            at, flushed = postgres.sql("SELECT pg_current_wal_insert_lsn() - '0/0', pg_current_wal_flush_lsn() - '0/0'").split("|")
            unflushed += int(flushed) < int(at)
            client.call(s.methods["user"], arguments("1") + struct.pack("<Q", int(at)), timeout=PATIENCE)
            if unflushed == 5:
                break
        assert unflushed, "the end of the log was always flushed"


def replication_that_cannot_be_says_why():
    postgres.fresh(USERS)
    postgres.sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA public TO plain; GRANT SELECT ON users TO plain")
    plain = postgres.url.replace("user=test", "user=plain")

    def starts(why, reason, url=None, **change):
        """It does not, until the change: why says the log, and the reason, which names nothing, everybody."""
        with Server({"user": ONE_USER}, install=False, ready=False, server="request_ms = 300", database=REPLICATED, url=url) as s:
            until(lambda: why in s.said())
            for path in ("/healthz", "/q/user?id=1"):
                status, _, body = s.fetch(path)
                assert status == 503 and json.loads(body)["error"] == "changes cannot be received: " + reason, body
            assert s.said().count("changes cannot be received") == 1, s.said()
            for sql in change.values():
                postgres.sql(sql)
            if change:
                until(lambda: s.fetch("/healthz")[0] == 200)
                until(lambda: "cached again" in s.said())
                until(lambda: s.fetch("/q/user?id=1")[2] == b'[{"id":1,"name":"user 1"}]')
    starts("there is no publication dxdb", "there is no publication", add="CREATE PUBLICATION dxdb FOR TABLE users")
    starts("may not replicate", "the role may not replicate", plain, allow="ALTER ROLE plain REPLICATION")
    postgres.sql("ALTER PUBLICATION dxdb SET (publish = 'insert, update')")
    starts("leaves out some of insert", "the publication leaves out changes", add="ALTER PUBLICATION dxdb SET (publish = 'insert, update, delete, truncate')")
    postgres.sql("ALTER PUBLICATION dxdb SET (publish_via_partition_root = true)")
    starts("publish_via_partition_root", "the publication leaves out changes", add="ALTER PUBLICATION dxdb SET (publish_via_partition_root = false)")
    until(lambda: postgres.sql("SELECT count(*) FROM pg_replication_slots") == "0")
    slots = int(postgres.sql("SHOW max_replication_slots"))
    postgres.sql("SELECT pg_create_physical_replication_slot('full' || i) FROM generate_series(1, %d) i" % slots)
    starts("all replication slots are in use. Each worker needs one: set max_wal_senders",
           "no replication slot is free: max_wal_senders and max_replication_slots", free="SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'full%'")
    postgres.stop()
    postgres.start("-c wal_level=replica")
    try:
        starts("wal_level is not logical: set it in", "wal_level is not logical")
        postgres.stop()
        # One walsender for three workers: one of them has it, and no worker says that all is well.
        postgres.start("-c max_wal_senders=1")
        with Server({"user": ONE_USER}, install=False, ready=False, server="workers = 3\nrequest_ms = 300", database=REPLICATED) as s:
            until(lambda: "max_wal_senders" in s.said())
            for _ in range(30):
                status, _, body = s.fetch("/healthz")
                assert status == 503 and b"no replication slot is free: max_wal_senders and" in body, body
                time.sleep(0.05)
            assert "to 3 more than others use" in s.said()
            assert s.said().count("changes cannot be received") == 1, s.said()
    finally:
        postgres.stop()
        postgres.start()
    postgres.sql("REVOKE ALL ON users FROM plain; REVOKE USAGE ON SCHEMA public FROM plain; DROP ROLE plain")


def position_of(answer):
    high, low = answer["position"].split("/")
    return int(high, 16) << 32 | int(low, 16)


def a_write_over_http_is_one_transaction():
    postgres.fresh(USERS + MOVES + "CREATE TABLE kinds (id int, t text, b bool, f float8, j jsonb)")
    kinds = {"kinds": {"sql": "INSERT INTO kinds VALUES ($1, $2, $3, $4, $5)", "parameters": ["id", "t", "b", "f", "j"]},
             "nothing": {"sql": "INSERT INTO kinds VALUES (0)"}}
    with Server({"user": ONE_USER}, writes=WRITES | kinds, database="pool = 2") as s, s.hbtp() as client:
        assert json.loads(s.fetch("/w/move/describe")[2]) == json.loads(client.call(0, b"move"))
        first = s.post("set", {"id": 1, "name": "it's $1; DROP TABLE users; --"})
        assert first["rows"] == [1] and position_of(first) < position_of(s.post("move", {"to": "2", "from": 1, "name": "moved"}))
        assert s.post("set", {"id": 1000, "name": "nobody"})["rows"] == [0] and s.post("nothing", {})["rows"] == [1]
        for row in ([1, "\u00e4\u20ac\U0001f600\"\\/\b\f\n\r\t", True, 0.5, {"a": [1, "]}\"", {}], "b": None}], [2, None, None, None, None],
                    [3, "", False, -1e30, []], [4, "x" * 9000, None, 7, "\"text\""]):
            for ascii_only in (True, False):
                body = json.dumps(dict(zip("id t b f j".split(), row)), ensure_ascii=ascii_only, indent=ascii_only or None)
                assert s.post("kinds", body.encode())["rows"] == [1]
            wanted = [row[0], row[1], row[2], row[3], json.loads(row[4]) if isinstance(row[4], str) else row[4]]
            found = json.loads(postgres.sql("SELECT json_agg(json_build_array(id, t, b, f, j)) FROM kinds WHERE id = %d" % row[0]))
            assert found == [wanted, wanted], found
        before = postgres.sql("SELECT * FROM users ORDER BY id; SELECT * FROM moves; SELECT count(*) FROM kinds")
        for name, values, status, text in (
                ("move", {"from": 3, "to": 60, "name": "x"}, 409, "check"), ("move", {"from": 1, "to": 2, "name": "x"}, 409, "unique"),
                ("set", {"id": "x", "name": "y"}, 400, "integer"), ("set", {"id": 1 << 40, "name": "y"}, 400, "range"),
                ("set", {"id": 1}, 400, "missing"), ("set", {"id": 1, "name": "x", "more": 1}, 400, "no such parameter"),
                ("set", b'{"id": 1, "name": "x", "id": 2}', 400, "twice"), ("set", b'{"id": 1, "name": "x", "\\u0069d": 2}', 400, "twice"), ("set", b"", 400, "JSON"), ("set", b"[1]", 400, "JSON"),
                ("set", b'{"id": 1, "name": "x"', 400, "JSON"), ("set", b'{"id": 01, "name": "x"}', 400, "JSON"), ("set", b'{"id": 1, "name": "x"} {}', 400, "JSON"),
                ("set", b'{"id": 1, "name": "\\ud800"}', 400, "character"), ("set", b'{"id": 1, "name": "\\u0000"}', 400, "character"),
                ("set", b'{"id": 1, "name": "\\ud800\\u0041"}', 400, "character"), ("set", b'{"id": 1, "name": "\xff"}', 400, ""),
                ("set", b'{"id": ' + b"[" * 40 + b"]" * 40 + b', "name": ""}', 400, "JSON"), ("unknown", {}, 404, "no such write"), ("user", {}, 404, "")):
            answer = s.post(name, values, status)
            assert answer["status"] == status and text in answer["error"], (values, answer)
        assert postgres.sql("SELECT * FROM users ORDER BY id; SELECT * FROM moves; SELECT count(*) FROM kinds") == before
        assert s.get("user", id=5) == [{"id": 5, "name": "user 5"}] and s.metrics()["dxdb_pool_running"] == 0


def a_target_may_have_its_host_and_a_key_escapes():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, writes=WRITES | {"move": WRITES["set"]}) as s:
        for target, want in ((b"http://host/q/user?id=1", b" 200 "), (b"HTTPS://a.example:80/q/user?id=1", b" 200 "), (b"http://host", b" 200 "),
                             (b"http://host?id=1", b" 200 "), (b"http://host/q/none", b" 404 "), (b"httpx/q/user?id=1", b" 400 ")):
            answer = s.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert want in answer.split(b"\r\n")[0] and (b"/q/user" not in target or want != b" 200 " or b"user 1" in answer), (target, answer)
        assert s.post("set", b'{"\\u0069d": 7, "n\\u0061me": "escaped"}')["rows"] == [1]
        body = b'{"id": 7, "name": "whole"}'
        answer = s.raw(b"POST http://host/w/set HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        assert b" 200 " in answer.split(b"\r\n")[0] and s.get("user", id=7)[0]["name"] == "whole", answer


def what_is_too_large_is_told_its_limit():
    postgres.fresh(USERS)
    queries = {"user": ONE_USER, "text": {"sql": "SELECT $1::text AS t", "parameters": ["p"], "ttl_s": 1},
               "wide": "SELECT " + ", ".join("%d AS c%d" % (i, i) for i in range(1500)),
               "texts": "SELECT " + ", ".join("'' AS c%d" % i for i in range(513)), "fits": "SELECT " + ", ".join("'' AS c%d" % i for i in range(512))}
    with Server(queries) as s, s.hbtp() as client:
        for name, count in (("wide", 1500), ("texts", 513)):
            status, why = refusal_of(lambda: client.call(s.methods[name], b""))
            assert status == 500 and "it has %d columns: a row has at most 1024 fields" % count in why, why
            assert why in json.loads(s.fetch("/q/" + name)[2])["error"]
        assert len(s.get("fits")[0]) == 512
        for head, status, text in ((b"GET /q/text?p=" + b"x" * 17000 + b" HTTP/1.1\r\n\r\n", b" 414 ", b"its target alone"),
                                   (b"GET /q/text?p=x HTTP/1.1\r\nA: " + b"x" * 17000 + b"\r\n\r\n", b" 431 ", b"at most 16382 bytes"),
                                   (b"GET /q/text?p=x HTTP/1.1\r\n" + b"A: x\r\n" * 3000 + b"\r\n", b" 431 ", b"at most 16382 bytes")):
            answer = s.raw(head)
            assert status in answer.split(b"\r\n")[0] and text in answer and b"Connection: close" in answer, answer
        for given, text in ((arguments("x" * 5000), "more than 4096 bytes"), (b"", "a parameter is missing"), (arguments("x", "y"), "or a position of 8 bytes"),
                            (arguments("a\0b"), "a zero byte"), (struct.pack("<I", 100) + b"x", "longer than the request")):
            status, why = refusal_of(lambda: client.call(s.methods["text"], given))
            assert status == 400 and text in why, (status, why)
        for given, want, text in ((b"\0", 400, "begins with a method"), (b"\1\2", 400, "begins with a method"), (b"\xc8\0", 404, "no query has this method"),
                                  (b"\1\1x", 400, "the epoch and the checksum")):
            status, why = refusal_of(lambda: client.call(255, given))
            assert status == want and text in why, (status, why)
        assert refusal_of(lambda: client.call(0, b"nothing")) == (404, "there is no such query or write")
    # The subscription beyond the limit of a connection, and one to nothing.
    with Server({"user": ONE_USER}) as s, Raw(s) as raw:
        for user in range(1, 65):
            raw.follow(1, arguments(str(user)))
        raw.send(dx_hbtp.CALL, bytes([255, 1, 0]) + arguments("65"))
        for number, want, text in ((struct.unpack_from("<I", raw.answer())[0], 429, b"a connection may have 64, and all of a worker 4160"),
                                   (12345678, 404, b"no result is followed by this number")):
            raw.send(dx_hbtp.STATE_SUBSCRIBE, struct.pack("<IQQ", number, 0, 0))
            opcode, body = raw.frame()
            assert opcode == dx_hbtp.ERROR and struct.unpack_from("<H", body)[0] == want and text in body, body
    # At the start: what the system says, and no secret without an end.
    os.mkfifo("fifo")
    for name, content in (("large", b"x" * 1025), ("zero", b"x" * 40 + bytes(1))):
        with open(name, "wb") as f:
            f.write(content)
    done = subprocess.run([DXDB, "serve", "fifo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    assert done.returncode == 1 and b"fifo: is not a regular file" in done.stdout, done
    with socket.create_server(("127.0.0.1", 0)) as taken:
        write_config("x.toml", {"user": ONE_USER})
        with open("x.toml") as f:
            old = f.read()
        for change, text in ((("127.0.0.1:0", "127.0.0.1:%d" % taken.getsockname()[1]), "Address already in use"),
                             (("[database]", 'tls_cert = "none.pem"\ntls_key = "none.key"\n[database]'), "none.pem: No such file"),
                             (("[cache]", '[auth]\nsecret_file = "/dev/zero"\n[cache]'), "/dev/zero: is not a regular file"),
                             (("[cache]", '[auth]\nsecret_file = "large"\n[cache]'), "large: larger than 1024 bytes"),
                             (("[cache]", '[auth]\nsecret_file = "zero"\n[cache]'), "zero: a secret has no zero byte"),
                             (("[cache]", '[auth]\nsecret_file = "fifo"\n[cache]'), "fifo: is not a regular file"),
                             (("[database]", 'tls_cert = "fifo"\ntls_key = "none.key"\n[database]'), "fifo: is not a regular file")):
            with open("x.toml", "w") as f:
                f.write(old.replace(*change))
            done = subprocess.run([DXDB, "serve", "x.toml"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
            assert done.returncode and text in done.stdout.decode(), done.stdout


def a_body_keeps_to_its_rules():
    """It is bounded, may come in pieces, and is not read when the head of the request is refused."""
    postgres.fresh(USERS)
    start = b"POST /w/set HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
    body = b'{"id": 1, "name": "x"}'
    with Server({"user": ONE_USER}, writes=WRITES | {"move": WRITES["set"]}) as s:
        def statuses(data):
            try:
                return [int(x) for x in re.findall(rb"HTTP/1.1 (\d+)", s.raw(data, 5))]
            except OSError as e:
                return [e, data[:200]]
        large = json.dumps({"id": 2, "name": "y" * 16000}).encode()
        length = b"Content-Length: %d\r\n\r\n"
        # One after the other on one connection: each is answered, in order.
        for data, want in ((start + length % len(body) + body + b"GET /q/user?id=50 HTTP/1.1\r\n\r\n" + start + length % len(large) + large
                            + b"GET /w/set HTTP/1.1\r\n\r\nDELETE /w/set HTTP/1.1\r\n\r\n", [200, 200, 200, 405, 405]),
                           (start + b"Expect: 100-continue\r\n" + length % len(body) + body, [100, 200]),
                           # These end the connection, whatever follows.
                           (start + b"Expect: 200-ok\r\n" + length % len(body) + body + b"GET / HTTP/1.1\r\n\r\n", [417]),
                           (start + length % 16385 + b"{" * 16385 + b"GET / HTTP/1.1\r\n\r\n", [413]), (start + length % (1 << 62), [413]),
                           (start + b"Transfer-Encoding: chunked\r\n\r\n16\r\n" + body + b"\r\n0\r\n\r\n", [411]),
                           (start + b"\r\n" + body, [411]), (start + b"Content-Length: 22\r\nContent-Length: 22\r\n\r\n" + body, [400]),
                           (start + b"Content-Length: -1\r\n\r\n" + body, [400]), (start + b"Content-Length: 1x\r\n\r\n" + body, [400]),
                           (start.replace(b"/json", b"/jsonp") + length % len(body) + body, [415]),
                           (start.replace(b"application/json", b"text/plain") + length % len(body) + body, [415]),
                           (start.replace(b"/w/set", b"/q/user?id=1") + length % len(body) + body, [405]),
                           (start.replace(b"/w/set", b"/w/") + length % len(body) + body, [405]),
                           (start.replace(b"POST", b"PUT") + length % len(body) + body, [400])):
            writes = s.metrics()["dxdb_writes_total"]
            found = statuses(data)
            assert found == want, (data[:200], found, want)
            expected = 2 * (want[0] == 200) + 1 * (want == [100, 200])
            assert s.metrics()["dxdb_writes_total"] == writes + expected, data[:200]
        assert s.get("user", id=2)[0]["name"] == "y" * 16000 or until(lambda: s.get("user", id=2)[0]["name"] == "y" * 16000)
        with socket.create_connection(s.at["http"], timeout=PATIENCE) as pieces:
            for byte in start + b"Connection: close\r\n" + length % len(body) + body:
                pieces.send(bytes([byte]))
                time.sleep(0.001)
            assert b"200 OK" in pieces.makefile("rb").read()
        # Who leaves within a body has written nothing; who leaves after it has.
        writes = s.metrics()["dxdb_writes_total"]
        for cut in range(1, len(body), 7):
            with socket.create_connection(s.at["http"]) as gone:
                gone.sendall(start + length % len(body) + body[:cut])
        with socket.create_connection(s.at["http"]) as gone:
            gone.sendall(start + length % len(body) + body)
        until(lambda: s.metrics()["dxdb_http_connections"] == 1 and s.metrics()["dxdb_writes_total"] > writes)
        time.sleep(0.1)
        assert s.metrics()["dxdb_writes_total"] == writes + 1


def mw_4_6_only_who_has_a_token_writes():
    postgres.fresh(USERS)
    secret = "a secret of thirty-two bytes or more"
    with open("secret", "w") as f:
        f.write(secret)
    with Server({"user": ONE_USER}, writes=WRITES | {"move": WRITES["set"]},
                server='origins = ["https://app.example"]\n[auth]\nsecret_file = "secret"\n[limit]\nrate = 3') as s:
        good = {"Authorization": "Bearer " + token(secret, sub="ann", exp=int(time.time()) + 100)}
        old = {"Authorization": "Bearer " + token(secret, sub="ann", exp=int(time.time()) - 1)}
        for headers in ({}, old, {"Authorization": "Bearer x"}):
            assert s.post("set", {"id": 1, "name": "stolen"}, 401, headers)["status"] == 401
            assert s.post("unknown", {}, 401, headers)  # nor is it told what there is
            assert s.fetch("/w/set/describe", headers)[0] == 401
        found = [s.fetch("/w/set", good | {"Content-Type": "application/json"}, "POST", b'{"id": 1, "name": "n%d"}' % i)[0] for i in range(8)]
        assert found[:3] == [200] * 3 and 429 in found and set(found) == {200, 429}, found
        last = max(i for i, status in enumerate(found) if status == 200)
        assert postgres.sql("SELECT name FROM users WHERE id = 1") == "n%d" % last
        # A page may write where CORS says so: its browser asks first, because the body is JSON.
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,dx-position"}
        status, fields, _ = s.fetch("/w/set", asked, method="OPTIONS")
        assert status == 204 and "POST" in fields["Access-Control-Allow-Methods"]
        assert {"content-type", "dx-position"} <= {f.strip() for f in fields["Access-Control-Allow-Headers"].lower().split(",")}
        evil = s.fetch("/w/set", asked | {"Origin": "https://evil.example"}, method="OPTIONS")[1]
        assert not [name for name in evil if name.startswith("Access-Control-Allow")], str(evil)


def who_has_written_over_http_reads_nothing_older():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, writes=WRITES | {"move": WRITES["set"]}, server="workers = 2\nrequest_ms = 2000") as s, s.hbtp() as client:
        until(lambda: s.metrics()["dxdb_up"] == 2)

        def read(at=None, status=200):
            found, _, body = s.fetch("/q/user?id=1", {"Dx-Position": at} if at is not None else {})
            assert found == status, (found, body)
            return json.loads(body)[0]["name"] if status == 200 else json.loads(body)["error"]

        def work(i):
            for k in range(12):  # each request on a connection, and so on a worker, of its own
                newest = tuple(int(n) for n in read(s.post("set", {"id": 1, "name": "%d %d" % (i, k)})["position"]).split())
                assert newest >= (i, k) or newest[0] != i, (i, k, newest)
        together(3, work)
        # Notifications stop: what is in memory is old, and a read with the position waits for them.
        at = s.post("set", {"id": 1, "name": "old"})["position"]
        assert read(at) == "old"
        until(lambda: [read() for _ in range(20)] == ["old"] * 20)  # in the memory of both workers
        pids = [int(p) for p in postgres.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'dxdb catalog'").split()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            at = s.post("set", {"id": 1, "name": "new"})["position"]
            assert read() == "old", "it is known too early"
            with contextlib.closing(Events(s, "/q/user/live?id=1", position=at)) as live:
                assert read(at) == "new"  # once the connection is given up, or answers
                assert live.next()[1][0]["name"] == "new"
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        until(lambda: s.metrics()["dxdb_up"] == 2)
        # The token is one of the other protocol's, too.
        at, _ = s.write(client, "set", "1", "over HBTP")
        assert read("%X/%X" % (at >> 32, at & 0xffffffff)) == "over HBTP"
        assert "10000000/0" in read("10000000/0", 503)
        for bad in ("", "x", "1", "0/", "/0", "0/1/2", "0/123456789", "-1/0", "0x1/0"):
            assert "not a position" in read(bad, 400), bad


SLOW = "SELECT $1::int AS a, (SELECT 1 FROM (SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)) x) AS s"


def a_signal_ends_it_after_its_answers():
    postgres.fresh(USERS)
    queries = {"user": ONE_USER, "slow": {"sql": SLOW, "parameters": ["a"]}}
    with Server(queries) as s, Lock() as lock, Raw(s) as calls, s.hbtp() as idle, Follower("user", "1") as follower:
        follower.connect(s)
        until(lambda: follower.status == 200)
        idle.call(1, arguments("1"))
        kept = socket.create_connection(s.at["http"], timeout=PATIENCE)  # an idle connection, which is closed
        kept.sendall(b"GET /q/user?id=1 HTTP/1.1\r\n\r\n")
        assert b"user 1" in kept.recv(65536)
        calls.send(dx_hbtp.CALL, b"\2" + arguments("7"))

        def work(i):
            if i < 2:
                return s.fetch("/q/slow?a=%d" % i)[2]
            until(lambda: s.metrics()["dxdb_pool_running"] == 3)
            s.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(s.at["http"]) and refuses(s.at["hbtp"]))
            assert s.process.poll() is None
            lock.free()
        found = together(3, work)
        assert [json.loads(body)[0]["a"] for body in found[:2]] == [0, 1]
        assert calls.frame()[0] == dx_hbtp.RESPONSE
        calls.close()
        assert kept.recv(100) == b"" and s.process.wait(PATIENCE) == 0
        kept.close()


def refuses(address):
    """Is nobody listening, or nobody who accepts?"""
    try:
        with socket.create_connection(address, timeout=1) as one:
            one.settimeout(0.2)
            one.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            return not one.recv(1)
    except OSError:
        return True


def dt_1_a_configuration_is_loaded_again():
    postgres.fresh(USERS)
    with Server({"user": ONE_USER}, server="workers = 2") as s, Follower("user", "1") as follower:
        assert s.process.stdout.readline() == b"2 workers\n"
        until(lambda: s.metrics()["dxdb_up"] == 2)
        follower.connect(s)
        until(lambda: follower.status == 200)

        def load(text, want):
            with open("dxdb.toml", "w") as f:
                f.write(text)
            s.process.send_signal(signal.SIGHUP)
            if want:
                until(lambda: want in s.said())
            else:
                assert s.process.stdout.readline() == b"loaded dxdb.toml\n"
                until(lambda: s.metrics()["dxdb_up"] == 2)
        with open("dxdb.toml") as f:
            old = f.read()
        for bad, want in ((old + "x = 1\n", "no such key"), ("", "has no url"), (old.replace("workers = 2", "workers = 3"), "only read at the start"),
                          (old + '[auth]\nsecret_file = "none"\n', "none: No such file")):
            load(bad, want)
            assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}] and s.process.poll() is None
        frames = follower.frames
        load(old + '[[query]]\nname = "count"\nsql = "SELECT count(*) AS n FROM users"\n', None)
        assert s.get("count") == [{"n": 100}] and s.get("user", id=1) == [{"id": 1, "name": "user 1"}]
        follower.connect(s)  # it has what it had
        until(lambda: follower.status == 200)
        assert follower.kept == 1 and follower.frames == frames, (follower.kept, follower.frames)
        postgres.sql("UPDATE users SET name = 'later' WHERE id = 1")
        until(lambda: follower.now()[0]["name"] == "later")
        follower.close()
        # Under load nothing is lost: each request is answered, if not on its old connection then on a new one.
        done = threading.Event()

        def ask(i):
            if i == 0:
                for _ in range(4):
                    load(old, None)
                done.set()
                return 0
            answers = 0
            while not done.is_set():
                connection = http.client.HTTPConnection(*s.at["http"], timeout=PATIENCE)
                with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError):
                    while not done.is_set():
                        connection.request("GET", "/q/user?id=%d" % (1 + answers % 50))
                        answer = connection.getresponse()
                        assert answer.status in (200, 503) and answer.read(), answer.status
                        answers += 1
                connection.close()
            return answers
        assert min(together(4, ask)[1:]) > 0


def dt_1_no_request_is_lost_while_it_loads_again():
    """Requests on new connections, of both protocols and both ways, and those of a connection that is kept until an answer says that
    it closes: each is answered, whatever a SIGHUP meets. What was written is there once."""
    postgres.fresh(USERS + "CREATE TABLE seen (who int, n int)")
    kinds = [(Server, "epoll", "workers = 2"), (Server, "io_uring", "")]
    if shutil.which("openssl"):
        Secured.context = certificate("a")
        kinds.append((Secured, "auto", TLS))
    for kind, backend, server in kinds:
        postgres.sql("TRUNCATE seen")
        with kind({"user": ONE_USER}, writes={"see": {"sql": "INSERT INTO seen VALUES ($1, $2)", "parameters": ["who", "n"]}},
                    options=("--backend", backend), server=server + "\nrequest_ms = 60000") as s:
            s.process.stdout.readline()
            done = threading.Event()
            kept = []
            want = [b'[{"id":%d,"name":"user %d"}]' % (i, i) for i in range(10)]

            def get(i, n):
                status, _, body = s.fetch("/q/user?id=%d" % i)
                assert status == 200 and body == want[i], (status, body)

            def late(i, n):  # a page connects before it asks
                with s.secure() if kind == Secured else socket.create_connection(s.at["http"], timeout=PATIENCE) as one:
                    time.sleep(random.random() / 10)
                    one.sendall(b"GET /q/user?id=%d HTTP/1.1\r\nConnection: close\r\n\r\n" % i)
                    with one.makefile("rb") as answer:
                        assert answer.read().endswith(want[i])

            def live(i, n):
                with socket.create_connection(s.at["http"], timeout=PATIENCE) as one, one.makefile("rb") as answer:
                    one.sendall(b"GET /q/user/live?id=%d HTTP/1.0\r\n\r\n" % i)
                    assert b" 200 " in answer.readline()
                    while (line := answer.readline()) != b"data: %s\n" % want[i]:
                        assert line

            def web_socket(i, n):
                with socket.create_connection(s.at["http"], timeout=PATIENCE) as one, one.makefile("rb") as answer:
                    one.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                    line = answer.readline()
                    assert b" 101 " in line or b" 404 " in line, line  # 404: a build without it

            def call(i, n):
                with s.hbtp() as client:
                    assert client.call(1, arguments(str(i)), timeout=PATIENCE)

            def call_write(i, n):
                with s.hbtp() as client:
                    assert s.write(client, "see", str(i), str(n))[1] == [1]

            def post(i, n):
                s.post("see", {"who": i, "n": n})

            def keep(i, n):
                connection = kept.pop() if kept else http.client.HTTPConnection(*s.at["http"], timeout=PATIENCE)
                connection.request("GET", "/q/user?id=%d" % i)
                answer = connection.getresponse()
                assert answer.read() == want[i], answer.status
                if answer.will_close:
                    connection.close()
                else:
                    kept.append(connection)
            ways = (get, late, post) if kind == Secured else (get, late, post, call, call_write, keep, live, web_socket)

            def ask(i):
                if i == len(ways):
                    try:
                        for _ in range(25):
                            s.process.send_signal(signal.SIGHUP)
                            assert s.process.stdout.readline() == b"loaded dxdb.toml\n"
                            time.sleep(random.random() / 8)
                    finally:
                        done.set()
                    return 25
                asked = 0
                while not done.is_set():
                    ways[i](i + 1, asked)
                    asked += 1
                return asked
            asked = together(len(ways) + 1, ask)
            for connection in kept:
                connection.close()
            assert min(asked) >= 10, asked
            assert postgres.sql("SELECT who, count(*), count(DISTINCT n) FROM seen GROUP BY who ORDER BY who").split() == [
                "%d|%d|%d" % (i + 1, asked[i], asked[i]) for i in range(len(ways)) if ways[i] in (post, call_write)]


def a_configuration_is_checked():
    good = '[server]\nhttp = "127.0.0.1:0"\n[database]\nurl = "x"\n[[query]]\nname = "a"\nsql = "b"\n'
    for text, want in (("[server\n", ":1:"), (good + "foo = 1\n", ":8: foo: no such key in [[query]]"), (good.replace("url", "uri"), "uri: no such key"),
                       (good.replace('"b"', "1"), ":7: sql: must be a string"), (good.replace('"b"', '""'), "sql: must not be empty"),
                       ("x = 1\n" + good, ":1: x: no such key"), (good.replace('url = "x"\n', ""), "[database] has no url"),
                       (good.replace('http = "127.0.0.1:0"\n', ""), "neither hbtp nor http"), (good[:good.index("[[")], "no [[query]]"),
                       (good + good[good.index("[["):], ":9: two queries are named a"), (good.replace('name = "a"', 'name = "a b"'), ":6: query 1 needs a name"),
                       (good + "method = 255\n", ":8: method: must be a number from 1 to 254"), (good + "ttl_s = 1.5\n", "ttl_s: must be"),
                       (good + 'parameters = ["p", "p"]\n', ":8: query a lists parameter p twice"), (good + "parameters = [1]\n", ":8: parameters: must be a string"),
                       (good + 'parameters = ["%s"]\n' % '", "'.join("p%d" % i for i in range(17)), "parameters: too many: at most 16"),
                       (good + 'paramters = ["p"]\n', ":8: paramters: no such key in [[query]]; did you mean 'parameters'?"),
                       (good.replace('"x"', '"x"\nheartbeat = 1'), "heartbeat: no such key"), (good.replace('"x"', '"x"\npol = 1'), "pol: no such key; did you mean 'pool'?"),
                       (good.replace('"x"', '"x"\nsorce = "x"'), "did you mean 'source'?"), (good + '[[write]]\nsqll = ["x"]\n', "no such key in [[write]]; did you mean 'sql'?"),
                       (good.replace('"x"', '"hst=127.0.0.1 user=a"'), ':4: [database] url: invalid connection option "hst"'), (good, ':4: [database] url: missing "="'),
                       (good + '[[query]]\nname = "b"\nsql = "c"\nmethod = 1\n', ":11: queries a and b have the same method, 1"),
                       (good.replace("[database]", 'tls_key = "k"\n[database]'), ":3: [server] has tls_cert or tls_key"), ("[limit]\nburst = 2\n" + good, ":2: [limit] has no rate"),
                       ("[auth]\naudience = \"x\"\n" + good, ":2: [auth] has no secret_file"), (good + 'parameters = ["p",\n"a b"]\n', ":8: query a: parameter name 'a b'"),
                       (good + '[[write]]\nname = "w"\n', ":9: write w has no sql"), (good + '[[write]]\nsql = "c"\n', ":9: write 1 needs a name"),
                       (good + '[[write]]\nname = "a"\nsql = "c"\n', ":9: a query and a write are named a"),
                       (good + '[[write]]\nname = "w"\nsql = "c"\nmethod = 1\n', ":11: query a and write w have the same method, 1"),
                       (good + '[[write]]\nname = "w"\nsql = "c"\nttl_s = 1\n', ":11: ttl_s: no such key in [[write]]"),
                       (good + '[[write]]\nname = "w"\nsql = ["c", " commit"]\n', ":10: write w: statement 2: a write is one transaction"),
                       (good.replace("[database]", "tls_cert = []\n[database]"), ":3: tls_cert: must not be empty"), # no TLS, without a word
                       (good.replace("[database]", "tls_key = {}\n[database]"), ":3: tls_key: must not be empty"), ("[auth]\nsecret_file = []\n" + good, "must not be empty"),
                       (good + "ttl_s = []\n", ":8: ttl_s: must not be empty"),
                       (good.replace('"x"', '"x"\nsource = "rumour"'), ':5: source: must be "triggers" or "replication"'),
                       (good.replace('"x"', '"x"\nsource = ["triggers"]'), "source: must not be a list"),
                       (good.replace('"x"', '"x"\npublication = "p"'), ':5: [database] has a publication, but not source = "replication"'),
                       (good.replace('"x"', '"x"\nsource = "replication"\npublication = "a b"'), ":6: publication: must be a name"),
                       (good + '[subscribe]\nlag_ms = 1\n', "lag_ms: must be a number from 1000"),
                       (good.replace('"x"', '"x"\npool = 0'), "pool: must be a number from 1 to 256"),
                       (good.replace('"x"', '"x"\npool = [1, 2]'), "pool: must not be a list"), (good + "ttl_s = [1]\n", "ttl_s: must not be a list"),
                       (good + "parameters = [[]]\n", "arrays in arrays"), (good + 'sql.x.y = 1\n', ":8:"),
                       (good + 'tables = [{ a = { b = { c = 1 } } }]\n', "nested too deep"), (good.replace('"b"', '"\\u0000"'), "a zero byte")):
        with open("x.toml", "w") as f:
            f.write(text)
        done = subprocess.run([DXDB, "serve", "x.toml"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        assert done.returncode == 1 and want in done.stdout.decode(), "%s\nstatus %d: %s" % (text, done.returncode, done.stdout.decode())
    assert subprocess.run([DXDB, "serve", "missing.toml"], stderr=subprocess.DEVNULL).returncode == 2
    with open("x.toml", "w") as f:
        f.write(good.replace('"x"', '"host=%s/nowhere"' % postgres.place))
    assert subprocess.run([DXDB, "install-triggers", "x.toml"], stderr=subprocess.DEVNULL).returncode == 3


def the_examples_of_the_help_work():
    postgres.fresh(USERS)
    write_config("dxdb.toml", {"user": ONE_USER})
    shown = []
    write_config("replicated.toml", {"user": ONE_USER}, database=REPLICATED)
    for command in ("install-triggers", "serve", "install-publication", "uninstall"):
        text = subprocess.run([DXDB, "help", command], stdout=subprocess.PIPE, check=True).stdout.decode()
        shown += re.findall(r"^ +(dxdb (?:serve|install|uninstall).*\.toml.*)$", text, flags=re.M)
    assert len(shown) == 7, shown
    for line in sorted(shown, key=lambda line: "uninstall" in line):
        if "uninstall" in line and "--print" in line:
            assert postgres.sql("SELECT count(*) FROM pg_trigger WHERE tgname = 'dxdb_changed'") == "1"
        words = [DXDB] + line.split()[1:]
        if "serve" not in words:
            out = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout.decode()
            made = ("DROP TRIGGER", "removed the triggers of 1 table, and the publication\n") if "uninstall" in words else ("CREATE PUBLICATION", "publication dxdb has 1 table\n") if "install-publication" in words else ("CREATE TRIGGER", "triggers on 1 table\n")
            assert made[0] in out if "--print" in words else out == made[1], out
    with Server({"user": ONE_USER}, install=False) as s:
        assert s.get("user", id=1) == [{"id": 1, "name": "user 1"}]


TRACES = ("SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dxdb%') || ' ' || (SELECT count(*) FROM pg_proc WHERE proname = 'changed') || ' ' ||"
          " (SELECT count(*) FROM pg_namespace WHERE nspname = 'dxdb') || ' ' || (SELECT count(*) FROM pg_publication)")


def what_was_installed_is_removed():
    """Of all tables: also of those that no query reads any longer. Not what others have created."""
    def dxdb(*words):
        done = subprocess.run([DXDB, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    postgres.fresh(USERS + 'CREATE TABLE "Odd ""name" (id int PRIMARY KEY); CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);'
                   "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER mine AFTER INSERT ON users EXECUTE FUNCTION mine()")
    queries = {"user": ONE_USER, "odd": 'SELECT id FROM "Odd ""name"', "p": "SELECT k FROM p"}
    write_config("all.toml", queries)
    write_config("one.toml", {"user": ONE_USER}, database=REPLICATED)
    assert dxdb("uninstall", "one.toml") == (0, "there is nothing to remove\n", "")
    assert dxdb("install-triggers", "all.toml")[0] == dxdb("install-publication", "one.toml")[0] == 0
    before = postgres.sql(TRACES)
    assert before == "7 1 1 1", before
    status, shown, _ = dxdb("uninstall", "one.toml", "--print")
    assert status == 0 and shown.startswith("BEGIN;\n") and shown.endswith('DROP FUNCTION dxdb.changed();\nDROP SCHEMA dxdb;\nDROP PUBLICATION "dxdb";\nCOMMIT;\n'), shown
    assert 'ON public."Odd ""name";' in shown and shown.count("DROP TRIGGER") == 7 and postgres.sql(TRACES) == before
    # Who does not own the tables changes nothing.
    postgres.sql("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA public TO guest")
    write_config("guest.toml", queries, url=postgres.url.replace("user=test", "user=guest"))
    status, _, why = dxdb("uninstall", "guest.toml")
    assert status == 6 and "cannot remove what was installed" in why and "owner" in why, (status, why)
    assert postgres.sql(TRACES) == before
    with Server({"user": ONE_USER}, install=False) as s:
        s.get("user", id=1)
        assert dxdb("uninstall", "one.toml") == (0, "removed the triggers of 4 tables, and the publication\n", "")
        assert postgres.sql(TRACES) == "0 0 0 0" and postgres.sql("SELECT count(*) FROM pg_trigger WHERE tgname = 'mine'") == "1"
        postgres.sql("UPDATE users SET name = 'unheard' WHERE id = 1")
        until(lambda: s.get("user", id=1) == [{"id": 1, "name": "unheard"}])  # a dxdb that runs notices it
    # What is printed does the same. A schema with more in it stays.
    assert dxdb("install-triggers", "all.toml")[0] == 0
    postgres.sql("CREATE TABLE dxdb.notes (id int)")
    status, shown, why = dxdb("uninstall", "all.toml", "--print")
    assert status == 0 and "DROP SCHEMA" not in shown and "the schema dxdb stays" in why, (shown, why)
    postgres.sql(shown)
    assert postgres.sql(TRACES) == "0 0 1 0" and postgres.sql("SELECT count(*) FROM dxdb.notes") == "0"
    postgres.sql("DROP OWNED BY guest; DROP ROLE guest")


def manual_and_completions_are_those_of_the_program():
    for kind, path in (("man", "man/dxdb.1"), ("bash", "completions/dxdb.bash"), ("zsh", "completions/_dxdb"), ("fish", "completions/dxdb.fish")):
        said = subprocess.run([DXDB, "help", "--as", kind], stdout=subprocess.PIPE, check=True).stdout
        with open(os.path.join(top, "docs", path), "rb") as f:
            assert f.read() == said, "docs/%s is not what dxdb says: make texts" % path


def demonstration(ends):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    demo = subprocess.Popen([os.path.join(top, "programs/dxdb/demo.sh"), DXDB, str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        lines, typed = [], None
        while not typed:
            line = demo.stdout.readline().decode()
            assert line, "".join(lines)
            lines.append(line)
            typed = re.match(r"^    (psql .*)$", line)

        def stock():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                with urllib.request.urlopen("http://127.0.0.1:%d/q/product?id=2" % port, timeout=PATIENCE) as answer:
                    return json.load(answer)[0]["stock"]
        until(lambda: stock() == 80)
        live = Events(types.SimpleNamespace(at={"http": ("127.0.0.1", port)}), "/q/product/live?id=2")
        assert live.next()[1][0]["stock"] == 80
        with urllib.request.urlopen("http://127.0.0.1:%d/" % port) as page:
            assert b"/page.js" in page.read()
        with urllib.request.urlopen("http://127.0.0.1:%d/queries" % port) as answer:
            assert json.load(answer) == [{"name": "products", "parameters": []}, {"name": "product", "parameters": ["id"]}]
        subprocess.run(typed[1], shell=True, check=True, stdout=subprocess.DEVNULL)
        until(lambda: stock() == 79)
        until(lambda: live.next()[1][0]["stock"] == 79)
        place = re.search(r"-h (\S+)", typed[1])[1]
    finally:
        ends(demo.pid, signal.SIGTERM)
        said = demo.stdout.read()
        assert demo.wait(PATIENCE) == 0 and b"o such process" not in said, said
    assert not os.path.exists(place)


def the_demonstration_runs():
    """It ends without a complaint, whether the signal reaches the script, dxdb, or as Ctrl-C both."""
    def ends_first(script, number):
        with open("/proc/%d/task/%d/children" % (script, script)) as f:
            os.kill(int(f.read().split()[-1]), number)
    for ends in (os.kill, os.killpg, ends_first):
        demonstration(ends)


def what_is_missing_is_named_and_installed_at_once():
    """A machine without some of the libraries: its compiler does not find their headers. apt-get writes down what it is asked for."""
    bin = os.path.join(os.getcwd(), "bin")
    os.mkdir(bin)
    found = [path for path in (os.path.join(folder, "gcc") for folder in os.environ["PATH"].split(":")) if os.access(path, os.X_OK)]
    real = next(path for path in found if "ccache" not in os.path.realpath(path))  # that one would find ours
    for name, text in (("gcc", 'source=$(cat)\ncase $source in *http_parser.h* | *wslay.h*) exit 1 ;; esac\nprintf "%%s\\n" "$source" | exec %s "$@"' % real),
                       ("apt-get", 'echo "$@" >>%s/asked' % bin), ("sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"'), ("apt-cache", "true")):
        with open(os.path.join(bin, name), "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(os.path.join(bin, name), 0o755)
    there = dict({name: value for name, value in os.environ.items() if not name.startswith("MAKE")}, PATH=bin + ":" + os.environ["PATH"])

    def said(*command):
        return subprocess.run(command, cwd=top, env=there, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, timeout=PATIENCE).stdout.decode()
    assert said("tests/deps.sh", "--list", "dxdb") == "libhttp-parser-dev libwslay-dev\n"
    assert not os.path.exists(bin + "/asked")
    said("tests/deps.sh", "dxdb")
    with open(bin + "/asked") as f:
        asked = f.read()
    assert asked.endswith("libhttp-parser-dev libwslay-dev\n") and "install -y" in asked, asked
    # The message alone: the programs are not built again.
    rule = "include Makefile\nmessage: ; @$(call LEFT_OUT,dxdb)\n"
    shown = subprocess.run(["make", "-s", "-f", "-", "message", "DXDB=0", "CC=gcc"], input=rule.encode(), cwd=top, env=there, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    assert shown.stdout == b"left out: dxdb; missing (Debian's names): libhttp-parser-dev libwslay-dev\n", shown.stdout
    assert "LEFT_OUT" not in said("make", "-n", "all", "DXDB=0") and "left out: dxdb" in said("make", "-n", "all", "DXDB=0")


CASES = [p19_dt_4_w_43_st_22_a_result_is_kept_until_its_table_changes, hbtp_and_http_give_the_same, every_type_is_what_it_was,
         what_a_record_cannot_hold_is_an_error, dt_7_parameters_are_compared, dt_3_one_query_runs_for_all_who_ask,
         p19_dt_5_w_44_who_asks_after_a_change_gets_no_older_result, dt_5_nobody_sees_a_version_twice, dt_2_what_is_not_watched_is_not_kept,
         triggers_that_come_and_go_are_seen, views_partitions_and_children_are_followed, a_change_of_the_schema_is_seen, what_is_replaced_beside_the_tables_is_seen,
         dt_8_a_database_that_restarts_is_come_back_to, dt_8_a_change_while_nobody_listens_is_not_missed, dt_8_a_database_that_hangs_is_noticed,
         it_starts_before_its_database, dt_2_6_memory_is_bounded, p18_dt_9_failures_are_not_kept, mw_1_5_8_9_every_answer_has_its_time_and_status, nothing_is_injected_and_nothing_written,
         a_full_pool_queues_until_the_deadline, http_keeps_to_its_rules, a_client_that_does_not_read_holds_up_nobody,
         mw_4_6_only_who_has_a_token_is_answered, mw_2_the_chain_has_no_indirect_call, mw_3_a_stop_runs_the_ends_of_what_began,
         dt_8_a_replica_takes_over, dt_8_a_replica_takes_over_by_replication, a_clock_that_jumps_changes_nothing_but_tokens,
         a_subscriber_gets_patches, a_subscriber_comes_back_and_has_missed_nothing, a_change_of_the_schema_ends_a_subscription,
         a_followed_result_that_fails_ends, one_query_and_one_patch_serve_all_subscribers, a_subscriber_that_does_not_read_holds_up_nobody,
         a_change_goes_to_many_at_once, a_patch_of_a_large_record_holds_up_nobody, large_records_are_patched_in_order,
         each_query_has_metrics, the_examples_of_the_readme_run, the_examples_of_the_readme_run_over_tls, clients_refuse_a_bad_certificate, clients_decode_every_type, clients_carry_much_over_tls,
         its_version_names_the_library_of_tls, tls_carries_both_protocols, a_client_of_tls_that_does_not_read_is_cut_off, many_that_send_fast_over_tls_are_all_answered,
         a_key_with_a_passphrase_is_refused, bad_and_half_open_handshakes_end,
         histories_of_subscribers_are_those_of_the_table, the_checker_of_histories_finds_what_is_planted,
         only_sets_whose_key_changed_are_read_again, what_depends_on_a_key_is_never_missed, a_key_is_only_what_equals_by_its_bytes,
         events_of_a_page_follow_the_table, a_page_that_does_not_read_is_ended,
         web_sockets_follow_the_table, the_client_of_javascript_speaks_over_a_web_socket, the_page_follows_over_a_web_socket, the_page_asks_for_a_token, bad_web_sockets_are_refused,
         a_web_socket_that_does_not_read_is_ended, an_answer_for_many_is_kept_once, answers_that_nobody_reads_are_bounded, who_does_not_read_leaves_room_for_others, why_it_is_away_is_said_without_names,
         mw_4_6_a_web_socket_needs_a_token_in_its_hello, a_write_is_one_transaction, a_write_that_cannot_be_is_named_at_the_start, what_the_database_says_has_a_prefix, a_request_leaves_nothing_in_its_session,
         what_became_of_a_write_is_said, a_write_that_failed_is_not_in_the_database, who_has_written_reads_nothing_older, a_target_may_have_its_host_and_a_key_escapes, what_is_too_large_is_told_its_limit, a_write_over_http_is_one_transaction, a_body_keeps_to_its_rules,
         mw_4_6_only_who_has_a_token_writes, who_has_written_over_http_reads_nothing_older,
         replication_does_what_triggers_do, replication_comes_back, replication_goes_by_key, replication_misses_no_key, replication_waits_until_a_change_is_visible,
         replication_sees_what_happens_to_tables, replication_of_a_storm_and_of_a_large_transaction, who_has_written_reads_nothing_older_by_replication,
         replication_that_cannot_be_says_why,
         mw_7_pages_of_other_origins_may_read, several_workers_are_one_server, each_backend_does_it,
         a_signal_ends_it_after_its_answers, dt_1_a_configuration_is_loaded_again, dt_1_no_request_is_lost_while_it_loads_again, a_configuration_is_checked, what_was_installed_is_removed, the_examples_of_the_help_work,
         manual_and_completions_are_those_of_the_program, the_demonstration_runs, what_is_missing_is_named_and_installed_at_once]


def missing():
    """What is not here, but needed; or None."""
    needed = (("dxdb is not built: it needs libpq-dev libhttp-parser-dev libssl-dev libtomlplusplus-dev g++", os.access(DXDB, os.X_OK)),
              ("psql is not installed", shutil.which("psql")), ("PostgreSQL is not installed", glob.glob("/usr/lib/postgresql/*/bin/initdb")))
    return next((what for what, there in needed if not there), None)


def main():
    global postgres
    if why := missing():
        print("skip test_dxdb: %s\ntest_dxdb: 0 passed, 0 failed, 1 skipped" % why)
        return 0
    postgres = Postgres()
    work = tempfile.mkdtemp()
    try:
        for case in CASES:
            name = case.__name__
            wanted = [f for f in sys.argv[1:] if f[0] != "-"]
            if wanted and not any(f in name for f in wanted) or any(f[0] == "-" and f[1:] in name for f in sys.argv[1:]) or name not in os.environ.get("DX_CASES", name).split():
                continue
            place = os.path.join(work, name)
            os.mkdir(place)
            os.chdir(place)
            result, why, begun = "passed", "", time.monotonic()
            try:
                case()
            except Skip as e:
                result, why = "skipped", ": %s" % e
            except Exception as e:
                lines, at = [], e.__traceback__.tb_next
                while at:
                    lines.append(at.tb_lineno)
                    at = at.tb_next
                result, why = "failed", ": lines %s: %s: %s" % (lines, type(e).__name__, e)
            counts[result] += 1
            print("%-4s %s (%.1f s)%s" % ({"passed": "ok", "failed": "FAIL", "skipped": "skip"}[result], name, time.monotonic() - begun, why), flush=True)
            os.chdir(top)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        postgres.end()
        shutil.rmtree(work, ignore_errors=True)
    print("test_dxdb: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
