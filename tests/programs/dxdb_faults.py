#!/usr/bin/env python3
"""dxdb under faults for minutes: writers, readers and subscribers work while dxdb, the database and the network fail, by a seed.
usage: dxdb_faults.py [SECONDS [SEED [SOURCE]]]      (30, 1, triggers; or replication)
       DXDB=path

Faults: dxdb killed, ended, told to load its configuration, stopped; the database killed and started again, its connections ended,
the connection for notifications ended or stopped; the network to the database or to the clients stalled, or cut with what was under way;
and the database's answers around a commit replaced by an error, by half of them or by the end of the connection, or late.

What must hold, whatever happens:
  a write that was acknowledged is in the database, once; one that failed is not; of one whose end is unknown at most one is
  who has written reads nothing older with the position of the write
  a get begun STALE_S after a commit returns nothing older than this commit: a connection that hangs is noticed by then
  the versions that a subscriber sees never go back, and at the end all subscribers have what the table has
The checks of the first three are tried on planted violations before."""
import collections, contextlib, os, random, shutil, signal, socket, struct, sys, tempfile, threading, time, types

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_dxdb as t
import dx_hbtp

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 30
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
SOURCE = sys.argv[3] if len(sys.argv) > 3 else "triggers"
NOTICED_S = {"triggers": 0.6, "replication": 10}[SOURCE]  # when a connection hangs
STALE_S = NOTICED_S + 3.4  # and time for a busy machine
STALL_S = 2 * STALE_S  # the longest one
LATE_S = 2.5  # an answer of the database, beyond request_ms
WRITERS, READERS, FOLLOWERS, OWN_KEYS, SHARED_KEYS = 3, 4, 6, 4, 8
QUERIES = {"one": {"sql": "SELECT id, v FROM t WHERE id = $1", "parameters": ["id"]},
           "group": {"sql": "SELECT id, k, v, filler FROM t WHERE k = $1 ORDER BY id", "parameters": ["k"]},
           "all": "SELECT id, k, v FROM t ORDER BY id"}
WRITES = {"add": {"sql": ["UPDATE t SET v = v + 1 WHERE id = $1", "INSERT INTO done (number) VALUES ($2)"], "parameters": ["id", "number"]}}
FAILED = (dx_hbtp.HbtpError, OSError, TimeoutError, struct.error)


# ---- what is known of the table
class Commits:
    """When a version of a row was known to be committed. Versions only grow."""

    def __init__(self):
        self.lock, self.times = threading.Lock(), collections.defaultdict(list)

    def add(self, key, version):
        with self.lock:
            self.times[key].append((time.monotonic(), version))

    def at_least(self, key, when):
        """The newest version that was known to be committed by then."""
        with self.lock:
            return max([version for time_s, version in self.times[key] if time_s <= when], default=0)

    def age(self, key, version, when):
        """For how many seconds a newer version than this was known to be committed."""
        with self.lock:
            return max([when - time_s for time_s, newer in self.times[key] if newer > version and time_s <= when], default=0)


class Ledger:
    """What became of each write: 1 acknowledged, 0 failed, None unknown."""

    def __init__(self):
        self.lock, self.ends, self.why, self.next = threading.Lock(), {}, {}, 0

    def begin(self):
        with self.lock:
            self.next += 1
            self.ends[self.next] = None
            return self.next

    def check(self, done, versions, keys):
        """done: the numbers in the database; versions: of each row; keys: of each write."""
        found, added = collections.Counter(done), collections.Counter(keys[n] for n in done)
        for number, end in self.ends.items():
            assert end is None or found[number] == end, "write %d: %d times, its end was %d: %s" % (
                number, found[number], end, self.why.get(number))
        assert max(found.values(), default=0) <= 1, "a write came twice"
        for key, version in versions.items():
            assert version == added[key], "row %d: %d writes, version %d" % (key, added[key], version)


def check_get(commits, key, version, begun):
    assert version >= commits.at_least(key, begun - STALE_S), "row %d: version %d, %.2f s after a newer one" % (
        key, version, commits.age(key, version, begun))


def finds(work):
    try:
        work()
    except AssertionError:
        return
    raise SystemExit("a planted violation is not found")


def plant():
    commits, now = Commits(), time.monotonic()
    commits.times[1] = [(now - 3 * STALE_S, 1), (now - 2 * STALE_S, 2), (now - STALE_S / 2, 3)]
    check_get(commits, 1, 2, now)
    finds(lambda: check_get(commits, 1, 1, now))
    ledger = Ledger()
    ledger.ends = {1: 1, 2: 0, 3: None}
    keys = {1: 7, 2: 7, 3: 8}
    ledger.check([1], {7: 1, 8: 0}, keys)
    ledger.check([1, 3], {7: 1, 8: 1}, keys)
    finds(lambda: ledger.check([], {7: 0, 8: 0}, keys))         # lost
    finds(lambda: ledger.check([1, 2], {7: 2, 8: 0}, keys))     # failed, but there
    finds(lambda: ledger.check([1, 1], {7: 2, 8: 0}, keys))     # twice
    finds(lambda: ledger.check([1], {7: 2, 8: 0}, keys))        # a version without its write


# ---- the world
class World:
    def __init__(self):
        self.random = random.Random(SEED)
        self.counts, self.faults, self.troubles = collections.Counter(), collections.Counter(), []
        self.over, self.commits, self.ledger, self.keys = threading.Event(), Commits(), Ledger(), {}
        self.worst_age_s = 0
        self.ends = t.Ends(random.Random(SEED), LATE_S)
        self.to_database = t.Network(t.connect_database, self.ends)
        self.to_server = t.Network(lambda: socket.create_connection(self.server.at["hbtp"], timeout=5))
        self.server = None
        self.serve(install=True)
        self.peer = types.SimpleNamespace(at={"hbtp": self.to_server.address}, methods=self.server.methods)

    def serve(self, install=False):
        self.server = t.Server(QUERIES, install=install, ready=install, url=self.to_database.url, writes=WRITES,
                               database='source = "%s"' % SOURCE,
                               server="workers = 2\nrequest_ms = 2000", name="faults")

    def said(self):
        with open("faults.log", errors="replace") as log:
            return log.read()

    # ---- actors: each runs on a thread of its own until it is over
    def actor(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except Exception as e:
                self.troubles.append("%s%s: %s: %s" % (work.__name__, arguments, type(e).__name__, e))
                self.over.set()
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def client(self):
        """A connection, once there is one."""
        while not self.over.is_set():
            client = None
            try:
                client = dx_hbtp.Client(*self.to_server.address, payload_max=1 << 21)
                client.kind = t.json.loads(client.call(0, b"one", timeout=5))["type"]
                return client
            except FAILED:
                self.counts["connects that failed"] += 1
                if client:
                    client.close()
                self.over.wait(0.1)

    def read(self, client, key, position=b""):
        record = client.call(self.peer.methods["one"], t.arguments(str(key)) + position, timeout=5)
        return t.records().open_record(client.kind, record, 0)["rows"][0]["v"]

    def with_clients(self, work):
        """Run work(client) again and again, each time one has failed with a new connection."""
        client = None
        while not self.over.is_set():
            client = client or self.client()
            if not client:
                return
            try:
                work(client)
            except FAILED as e:
                self.counts["requests that failed"] += 1
                if client.closed or not isinstance(e, dx_hbtp.HbtpError):
                    client.close()
                    client = None
                self.over.wait(0.02)
        if client:
            client.close()

    def writer(self, i):
        """Adds to rows of its own, and reads them with the position."""
        mine, r = [i * OWN_KEYS + k for k in range(OWN_KEYS)], random.Random(SEED * 100 + i)
        known = collections.Counter()

        def write(client):
            key, number = r.choice(mine), self.ledger.begin()
            self.keys[number] = key
            try:
                answer = client.call(self.peer.methods["add"], t.arguments(str(key), str(number)), timeout=5)
            except dx_hbtp.HbtpError as e:
                if e.status:
                    self.ledger.ends[number] = t.end_of_write(e.status, e.text)
                    self.ledger.why[number] = str(e)
                    self.counts["writes with an error"] += self.ledger.ends[number] is not None
                raise
            self.ledger.ends[number] = 1
            self.counts["writes"] += 1
            known[key] += 1
            version = self.read(client, key, answer[:8])
            assert version >= known[key], "row %d: version %d after %d writes" % (key, version, known[key])
            self.counts["reads with a position"] += 1
        self.with_clients(write)

    def psql_writer(self):
        """Adds to shared rows without dxdb, and says when a version is committed."""
        r = random.Random(SEED * 100 + 50)
        first = WRITERS * OWN_KEYS
        while not self.over.is_set():
            key = first + r.randrange(SHARED_KEYS)
            number = self.ledger.begin()
            self.keys[number] = key
            try:
                self.commits.add(key, int(t.postgres.sql("BEGIN; INSERT INTO done VALUES (%d); UPDATE t SET v = v + 1 WHERE id = %d RETURNING v; COMMIT" % (number, key))))
                self.ledger.ends[number] = 1
                self.counts["commits of psql"] += 1
            except (AssertionError, ValueError):
                self.counts["commits of psql with unknown end"] += 1
            self.over.wait(r.choice([0, 0.01, 0.05, 0.3]))

    def reader(self, i):
        r = random.Random(SEED * 100 + 60 + i)

        def get(client):
            key, begun = WRITERS * OWN_KEYS + r.randrange(SHARED_KEYS), time.monotonic()
            version = self.read(client, key)
            self.worst_age_s = max(self.worst_age_s, self.commits.age(key, version, begun))
            check_get(self.commits, key, version, begun)
            self.counts["gets"] += 1
        self.with_clients(get)

    def follower(self, f):
        while not self.over.is_set():
            if not f.client or f.client.closed:
                with contextlib.suppress(*FAILED):
                    f.connect(self.peer)
                    self.counts["subscriptions"] += 1
            if f.trouble:
                raise f.trouble
            f.ended = None  # 503 while the database is away, say: come back
            self.over.wait(0.1)

    # ---- faults
    def psql(self, text):
        with contextlib.suppress(AssertionError):
            return t.postgres.sql(text)
        return ""

    def listener(self):
        """Through which changes come."""
        return self.random.choice(["dxdb catalog", "dxdb replication"]) if SOURCE == "replication" else "dxdb catalog"

    def restart(self):
        old = self.server
        old.process.wait(30)
        old.process.stdout.close()
        old.log.close()
        self.serve()

    def fault(self):
        r = self.random
        kind = r.choice(["dxdb killed", "dxdb ended", "dxdb reloaded", "dxdb stopped", "database killed", "connections ended",
                         "listening ended", "listening stopped", "network stalled", "network cut", "clients stalled", "clients cut",
                         "ends of writes changed", "ends of writes changed"])
        self.faults[kind] += 1
        pause_s = r.choice([0.05, 0.3, 1, STALL_S, STALL_S])
        process = self.server.process
        if kind in ("dxdb killed", "dxdb ended"):
            process.send_signal(signal.SIGKILL if kind == "dxdb killed" else signal.SIGTERM)
            self.restart()
        elif kind == "dxdb reloaded":
            process.send_signal(signal.SIGHUP)
        elif kind == "dxdb stopped":
            process.send_signal(signal.SIGSTOP)
            self.over.wait(min(pause_s, 1))
            process.send_signal(signal.SIGCONT)
        elif kind == "database killed":
            t.postgres.stop("immediate")
            self.over.wait(min(pause_s, 1))
            t.postgres.start()
        elif kind in ("connections ended", "listening ended"):
            self.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'"
                      % (self.listener() if kind == "listening ended" else "dxdb"))
        elif kind == "listening stopped":
            pids = [int(p) for p in self.psql("SELECT pid FROM pg_stat_activity WHERE application_name = '%s'" % self.listener()).split()]
            for sent in (signal.SIGSTOP, signal.SIGCONT):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sent)
                self.over.wait(pause_s if sent == signal.SIGSTOP else 0)
        elif kind == "ends of writes changed":
            self.ends.share = r.choice([0.1, 0.5, 1])
            self.over.wait(pause_s)
            self.ends.share = 0
        else:
            network = self.to_database if kind.startswith("network") else self.to_server
            if kind.endswith("cut"):
                network.cut()
            else:
                network.flows.clear()
                self.over.wait(pause_s)
                network.flows.set()
        assert self.server.process.poll() is None, "dxdb has ended: " + self.said()

    def run(self):
        crowd = [t.Follower("all") if i % 2 else t.Follower("group", str(i % 3)) for i in range(FOLLOWERS)]
        end = time.monotonic() + SECONDS
        actors = [self.actor(self.writer, i) for i in range(WRITERS)] + [self.actor(self.psql_writer)] \
            + [self.actor(self.reader, i) for i in range(READERS)] + [self.actor(self.follower, f) for f in crowd]
        try:
            while time.monotonic() < end and not self.over.wait(self.random.choice([0.1, 0.5, 1, 2])):
                self.fault()
        finally:
            self.over.set()
            for thread in actors:
                thread.join()
        assert not self.troubles, "; ".join(self.troubles)
        self.compare(crowd)

    def compare(self, crowd):
        """All is well again: everybody has the same."""
        table = {int(i): (int(k), int(v)) for i, k, v in (line.split("|") for line in t.postgres.sql("SELECT id, k, v FROM t").split("\n"))}
        done = [int(n) for n in t.postgres.sql("SELECT number FROM done").split()]
        self.ledger.check(done, {key: v for key, (_, v) in table.items()}, self.keys)
        t.until(lambda: self.server.fetch("/healthz")[0] == 200, 60)
        for f in crowd:
            f.ended = None
            t.until(lambda: self.came_back(f), 60)
            want = {key: v for key, (k, v) in table.items() if f.query == "all" or str(k) == f.parameters[0]}
            t.until(lambda: f.now() is not None and {row["id"]: row["v"] for row in f.now()} == want, 60)
            t.check_history(f.history)
            self.counts["contents followed"] += len(f.history)
            self.counts["patches of them"] += f.patches
            f.close()
        unknown = sum(end is None for end in self.ledger.ends.values())
        self.counts["writes with unknown end"] = unknown
        self.counts["ends changed"] = sum(self.ends.taken.values())
        assert self.counts["writes"] and self.counts["gets"] and self.counts["contents followed"] and self.faults, self.counts

    def came_back(self, f):
        with contextlib.suppress(*FAILED):
            return f.connect(self.peer)


def main():
    plant()
    if why := t.missing():
        print("skip dxdb_faults: %s\ndxdb_faults: 0 passed, 0 failed, 1 skipped" % why)
        return 0
    t.postgres = t.Postgres()
    work = tempfile.mkdtemp()
    os.chdir(work)
    world, failed = None, True
    try:
        rows = WRITERS * OWN_KEYS + SHARED_KEYS
        t.postgres.fresh("CREATE TABLE t (id int PRIMARY KEY, k int, v int, filler text); CREATE TABLE done (number int);"
                         "INSERT INTO t SELECT i, i %% 3, 0, repeat(md5(i::text), 4) FROM generate_series(0, %d) i" % (rows - 1))
        world = World()
        world.run()
        world.server.__exit__(None)
        failed = False
    except Exception as e:
        print("FAIL seed %d: %s: %s" % (SEED, type(e).__name__, e))
    finally:
        if world:
            print("operations: " + ", ".join("%d %s" % (n, what) for what, n in sorted(world.counts.items())))
            print("faults: " + ", ".join("%d %s" % (n, what) for what, n in sorted(world.faults.items())))
            print("oldest answer: %.2f s behind a commit; writes left open: %d" % (world.worst_age_s, sum(e is None for e in world.ledger.ends.values())))
            if failed:
                print(world.said()[-2000:])
                world.server.process.kill()
        t.postgres.end()
        shutil.rmtree(work, ignore_errors=True)
    print("dxdb_faults: %d passed, %d failed, 0 skipped" % (not failed, failed), flush=True)
    os._exit(failed)  # threads of networks still wait


if __name__ == "__main__":
    main()
