#!/usr/bin/env python3
"""dxkeep daemon|capture --app postgres with a server that dxkeep did not start. While pgbench and a client write, versions are captured;
then every version that is called consistent is restored, a server recovers it, and pg_amcheck, the sums of pgbench and the client's rows
must hold: all that was acknowledged before the capture, none out of order, no part of a transaction. The server, psql and what lies
between them end or hang at the worst moments.
usage: test_dxkeep_postgres.py [FILTER...]
       DX_CAPTURES=n (default 6) DX_TEST_SEED=n DX_KEEP_FAILED=folder
       The long proof: DX_CAPTURES=100 tests/programs/test_dxkeep_postgres.py under_pgbench under_a_daemon between"""
import collections, contextlib, glob, json, os, random, shutil, signal, socket, subprocess, sys, threading, time

import test_dxkeep as kit
import test_dxkeep_real as real
from test_dxkeep import DXKEEP, PATIENCE, Skip, keep, latest, said, start, stop, versions, wait_for

CAPTURES = int(os.environ.get("DX_CAPTURES", "6"))
CONNECT = ["--app", "postgres", "--app-connect", "user=test"]


def capture(*more, status=0, connect=CONNECT, **how):
    """One capture. Returns what it says, as JSON, and its messages."""
    done = subprocess.run([DXKEEP, "capture", "store", "data", "--json", *connect, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE, **how)
    err = done.stderr.decode(errors="replace")
    assert done.returncode == status, "status %d instead of %d:\n%s" % (done.returncode, status, err)
    return (json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}), err


class Server(real.Postgres):
    """data is a copy of a directory that is made once."""
    process = None

    def server(self, place, sockets):
        return [*super().server(place, sockets), "-c", "max_prepared_transactions=2"]

    def __enter__(self):
        template = os.path.abspath("../template")
        if not os.path.exists(template + "/data"):
            here = os.getcwd()
            os.makedirs(template)
            os.chdir(template)
            super().setup()
            os.chdir(here)
        for folder in ("data", "sockets", "copy"):
            real.run("cp", "-a", template + "/" + folder, ".")
        self.start()
        return self

    def __exit__(self, *_):
        if self.load:
            self.end_load()
        self.end(signal.SIGQUIT)

    def start(self, *more):
        self.process = subprocess.Popen([*self.server("data", "sockets"), "-F", *more], stderr=open("server.log", "ab"))
        wait_for("PostgreSQL", lambda: self.process.poll() is not None or self.answers("sockets"))
        assert self.process.poll() is None, open("server.log").read()[-1000:]

    def end(self, how):
        """SIGKILL: of the postmaster. Its children end by themselves, later, and hold its memory until then."""
        if self.process and self.process.poll() is None:
            below = real.descendants(self.process.pid)
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            wait_for("the end of the server", lambda: not any(kit.state_of(pid) for pid in below))

    def end_load(self):
        super().end_load()
        self.load = None

    def sql(self, text):
        with self.connect() as c:
            return c.sql(text)

    def check_rows(self):
        return int(self.sql("SELECT count(*) FROM t")[0][0])

    def check_version(self, number, least, most):
        """Recovers it. Returns how many rows it has."""
        shutil.rmtree("back", ignore_errors=True)
        keep("restore", "store", str(number), "back", "--quiet")
        rows = self.check("back")
        assert least <= rows <= most, "version %d has %d rows, of %d that were acknowledged and %d that were begun" % (number, rows, least, most)
        return rows


def count(client, kind):
    return max([row for what, row, _ in list(client.record) if what == kind], default=0)


class Disturber(threading.Thread):
    """Statements at random moments, until it is stopped."""

    def __init__(self, server, dice):
        super().__init__(daemon=True)
        self.server, self.dice, self.asked = server, dice, True

    def run(self):
        while self.asked:
            self.server.disturb(self.dice)
            time.sleep(self.dice.random() * 0.2)


def postgres_under_pgbench(dice):
    """Captures beside pgbench, checkpoints, ends of log files, tables that are made, rewritten and dropped, and another backup."""
    totals, taken = collections.Counter(), []
    with Server() as server:
        client = server.client(random.Random(dice.random()))
        server.begin_load()
        disturber = Disturber(server, random.Random(dice.random()))
        disturber.start()
        wait_for("rows", lambda: count(client, "done") > 20)
        for at in range(CAPTURES):
            other = None
            if at % 3 == 1:
                other = subprocess.Popen(server.as_user(server.bin + "/pg_basebackup", "-h", os.path.abspath("sockets"), "-U", "test", "-D", os.path.abspath("copy/other"),
                                                        "--no-sync", "-c", "fast"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            least = count(client, "done")
            out, err = capture("--app-max-s", "30")
            assert out["consistent"] and not err, (out, err)
            taken.append((out["version"], least, count(client, "begun")))
            if other:
                totals["beside another backup"] += not other.wait(PATIENCE)
                shutil.rmtree("copy/other", ignore_errors=True)
            assert not client.fault and server.process.poll() is None, client.fault
        client.asked = disturber.asked = False
        client.join(PATIENCE)
        disturber.join(PATIENCE)
        assert not os.path.exists("data/backup_label"), "the directory was changed"
        assert server.sql("SELECT count(*) FROM pg_replication_slots") == [("0",)], "a slot was left"
        server.end_load()
        before = 0
        for number, least, most in taken:
            rows = server.check_version(number, least, most)
            assert rows >= before
            before = rows
            totals["captures"] += 1
            totals["rows"] += rows
            for name in ("postmaster.pid", "postmaster.opts"):
                assert not os.path.exists("back/" + name) or name == "postmaster.opts", name
    print("     " + ", ".join("%d %s" % (n, what) for what, n in totals.items()), flush=True)
    assert totals["captures"] == CAPTURES


def postgres_under_a_daemon(dice):
    """Captures follow the changes; the server is killed and started again meanwhile. When nothing is committed any more, no version is
    added, and the next commit is in a version that recovers: what was written to the files meanwhile is not forgotten."""
    with Server() as server:
        client = server.client(random.Random(dice.random()))
        server.begin_load()
        process = start(*CONNECT, "--app-max-s", "30", "--quiet-ms", "20", "--hold-ms", "100")
        try:
            wanted = latest() + CAPTURES
            kills = 0
            while latest() < wanted:
                server.disturb(dice)
                time.sleep(dice.random())
                assert process.poll() is None, kit.the_log()
                if dice.randrange(4) == 0 and kills * 6 < latest():
                    kills += 1
                    server.end(dice.choice([signal.SIGKILL, signal.SIGQUIT, signal.SIGINT]))
                    time.sleep(dice.choice([0, 0.3]))
                    server.start()
            client.asked = False
            client.join(PATIENCE)
            server.end_load()
            assert not client.fault, client.fault
            known, quiet, since = -1, time.monotonic(), time.monotonic()
            while time.monotonic() < quiet + 5:
                if latest() != known:
                    known, quiet = latest(), time.monotonic()
                assert time.monotonic() < since + PATIENCE, "versions are added, and nothing is committed: %d" % known
                time.sleep(0.2)
            idle = known
            # Files are written, by no transaction; then there is one.
            server.sql("CHECKPOINT")
            server.sql("VACUUM (FREEZE) t")
            server.sql("VACUUM (FREEZE) pgbench_accounts")
            server.sql("CHECKPOINT")
            time.sleep(1.5)
            done = count(client, "done")
            for text in ("INSERT INTO t SELECT 1 + max(id), '%s' FROM t" % real.note(server.check_rows() + 1), "BEGIN; INSERT INTO pgbench_history VALUES (1, 1, 1, 0); PREPARE TRANSACTION 'a'",
                         "ALTER SYSTEM SET work_mem = '5MB'"):
                known = latest()
                server.sql(text)
                wait_for("a version after " + text, lambda: latest() > known and versions(1)[0]["consistent"], process)
            stop(process)
        finally:
            kit_end(process)
        found = versions()
        good = [v for v in found if v["consistent"]]
        for v in found:
            if v["consistent"]:
                server.check_version(v["version"], 0, 1 << 31)
        rows = server.check_version(found[0]["version"], done + 1, 1 << 31)
        assert rows == server.check_rows(), (rows, server.check_rows())
        assert "5MB" in open("back/postgresql.auto.conf").read()
    print("     %d of %d versions are consistent, %d kills of the server; idle after version %d" % (len(good), len(found), kills, idle), flush=True)
    assert 2 * len(good) > len(found) and all(v["consistent"] or "app-failed" in v["torn_reasons"] for v in found), found


def postgres_with_other_files(dice):
    """A daemon is stopped; an older copy of the files is put back into DIR, and as many transactions follow as there were before. Their
    numbers are the same, their content is not: it is in a version."""
    with Server() as server:
        quiet = ("-c", "autovacuum=off")  # it begins transactions, too
        server.end(signal.SIGINT)
        real.run("cp", "-a", "data", "before")
        server.start(*quiet)
        process = start(*CONNECT, "--quiet-ms", "20", "--hold-ms", "100")

        def has_rows(rows):
            found = versions(1)
            return found and found[0]["consistent"] and server.check_version(found[0]["version"], 0, 2) == rows

        try:
            wait_for("a version", lambda: latest() > 0, process)
            server.sql("INSERT INTO t VALUES (1, '%s'), (2, '%s')" % (real.note(1), real.note(2)))
            wait_for("a version of two rows", lambda: has_rows(2), process)
            at = server.sql("SELECT txid_current_snapshot()")
            time.sleep(1)
            process.send_signal(signal.SIGSTOP)
            server.end(signal.SIGINT)
            for name in os.listdir("data"):
                if not name.endswith(".conf"):  # they are equal, and rsync leaves them as they are
                    real.run("rm", "-rf", "data/" + name)
            for name in os.listdir("before"):
                if not name.endswith(".conf"):
                    real.run("cp", "-a", "before/" + name, "data")
            server.start(*quiet)
            server.sql("INSERT INTO t VALUES (1, '%s')" % real.note(1))
            assert server.sql("SELECT txid_current_snapshot()") == at, "the numbers differ: nothing was tried"
            process.send_signal(signal.SIGCONT)
            wait_for("a version of one row", lambda: has_rows(1), process)
            stop(process)
        finally:
            process.send_signal(signal.SIGCONT)
            kit_end(process)


def kit_end(process):
    process.kill()
    process.wait()


class Asked(threading.Thread):
    """Acts before each call by which dxkeep opens or reads a file of data."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self.act, self.fault, self.calls = act, None, 0
        if os.path.exists("ask"):
            os.unlink("ask")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind("ask")
        os.chmod("ask", 0o777)
        self.socket.listen(64)
        self.start()

    def run(self):
        while True:
            question = self.socket.accept()[0]
            if question.recv(1) == b"q":
                return
            self.calls += 1
            try:
                self.act()
            except Exception as e:  # told by end()
                self.fault = self.fault or e
            question.send(b"x")
            question.close()

    def end(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect("ask")
            s.send(b"q")
        self.join(PATIENCE)
        if self.fault:
            raise self.fault


def shim_env():
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = kit.build_shim("between.so", "tests/programs/dxkeep_between.c")
    return {**kit.preloaded(shim), "DX_ASK": os.path.abspath("ask")}


def postgres_between_any_two_reads(dice):
    """Between the single calls that open or read a file the server commits, makes checkpoints, ends log files, and makes, rewrites,
    truncates and drops tables."""
    env = shim_env()
    counts = collections.Counter()
    with Server() as server, server.connect() as c:
        at = 0

        def act():
            nonlocal at
            if dice.randrange(8):
                return
            what = dice.choice(["INSERT"] * 8 + ["CHECKPOINT"] * 3 + ["SELECT pg_switch_wal()", "CREATE TABLE extra AS SELECT * FROM t", "DROP TABLE extra", "VACUUM t",
                               "VACUUM FULL pgbench_tellers", "TRUNCATE pgbench_history", "REINDEX TABLE t", "UPDATE pgbench_accounts SET filler = '' WHERE aid % 50 = 0"])
            if what == "INSERT":
                c.add(at + 1, at + 3)
                at += 3
            else:
                try:
                    c.sql(what)
                except OSError as e:
                    if "exist" not in str(e):
                        raise
                    what += " without it"
            counts[what] += 1

        asked = Asked(act)
        taken = []
        for _ in range(max(2, CAPTURES // 3)):
            least = at
            out, err = capture("--app-max-s", "30", env=env)
            assert out["consistent"], (out, err)
            taken.append((out["version"], least, at))
        asked.end()
        for number, least, most in taken:
            server.check_version(number, least, most)
    print("     %d captures, %d calls; %s" % (len(taken), asked.calls, ", ".join("%d %s" % (n, what.split()[0]) for what, n in counts.most_common(5))), flush=True)
    assert counts["CHECKPOINT"] and counts["INSERT"] > len(taken)


def psql_of(pid):
    """The process that dxkeep has started."""
    for one in open("/proc/%d/task/%d/children" % (pid, pid)).read().split():
        if open("/proc/%s/comm" % one).read() == "psql\n":
            return int(one)
    return 0


def postgres_backups_that_fail(dice):
    """psql is killed or stopped, the server is killed, ended or stopped, a tablespace is made, while dxkeep reads: torn, within the time
    limit, each with a message of its own. The next capture is consistent."""
    env = shim_env()
    with Server() as server:
        def reads():
            return server.sql("SELECT 1 FROM pg_replication_slots WHERE active")

        cases = [("kill psql", "psql has ended"), ("stop psql", "did not answer within"), ("kill the server", ""), ("end the server", ""),
                 ("stop the server", "did not answer within"), ("make a tablespace", "tablespace"), ("end the session", "terminating connection")]
        for what, text in cases:
            state = {"done": False}

            def act():
                if state["done"] or "pid" not in state or not psql_of(state["pid"]) or not reads():
                    return
                # The start is over, and the label is asked for only after all reads.
                if state.setdefault("reads", 0) < 30:
                    state["reads"] = state.get("reads", 0) + 1
                    return
                state["done"] = True
                if "psql" in what:
                    os.kill(psql_of(state["pid"]), signal.SIGKILL if what[0] == "k" else signal.SIGSTOP)
                elif what == "make a tablespace":
                    os.makedirs("space")
                    shutil.chown("space", server.user.pw_uid if server.user else None)
                    server.sql("CREATE TABLESPACE s LOCATION '%s'" % os.path.abspath("space"))
                elif what == "end the session":
                    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dxkeep'")
                elif what == "stop the server":
                    for pid in [server.process.pid, *real.descendants(server.process.pid)]:
                        with contextlib.suppress(ProcessLookupError):  # one that was about to end
                            os.kill(pid, signal.SIGSTOP)
                else:
                    server.end(signal.SIGKILL if what[0] == "k" else signal.SIGQUIT)

            asked = Asked(act)
            began = time.monotonic()
            process = subprocess.Popen([DXKEEP, "capture", "store", "data", "--json", *CONNECT, "--app-max-s", "3", "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
            state["pid"] = process.pid
            out, err = process.communicate(timeout=PATIENCE)
            asked.end()
            assert state["done"], "%s: not before the end of the reads, after %d" % (what, state.get("reads", 0))
            assert time.monotonic() - began < 30
            assert not process.returncode, err
            found = json.loads(out)
            assert not found["consistent"] and found["torn_reasons"] == ["app-failed"], (what, found, err)
            assert b"--app postgres: data: " in err and text.encode() in err, (what, err)
            print("     %s: %s" % (what, err.decode().strip()[:150]), flush=True)
            if what == "stop the server":
                for pid in [server.process.pid, *real.descendants(server.process.pid)]:
                    os.kill(pid, signal.SIGCONT)
            if "server" in what and what != "stop the server":
                server.start()
            if what == "make a tablespace":
                assert "tablespaces" in capture(status=6)[1]
                server.sql("DROP TABLESPACE s")
            wait_for("the end of the slot", lambda: server.sql("SELECT count(*) FROM pg_replication_slots") == [("0",)])
            out, err = capture("--app-max-s", "30")
            assert out["consistent"] and not err, (what, out, err)
        assert not glob.glob("store/backup*"), "a staging folder was left"
        server.check_version(out["version"], 0, 0)


def postgres_at_rest(dice):
    """Without a server: consistent if nothing changed, also after a kill. What it says when it cannot connect."""
    with Server() as server:
        server.sql("INSERT INTO t VALUES (1, '%s')" % real.note(1))
        out, err = capture()
        assert out["consistent"] and not err
        out, err = capture("--app-max-s", "2", connect=["--app", "postgres", "--app-connect", "user=test port=1"])
        assert not out["consistent"] and out["torn_reasons"] == ["app-failed"] and "connection to server" in err, (out, err)
        out, err = capture("--app-max-s", "2", connect=["--app", "postgres", "--app-connect", "user=nobody_of_this_name"])
        assert not out["consistent"] and "nobody_of_this_name" in err, (out, err)
        done = subprocess.run([DXKEEP, "capture", "store", "data", *CONNECT], env={**os.environ, "PATH": "/nowhere"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert b"psql, which --app postgres needs, cannot be started" in done.stdout, done.stdout
        server.end(signal.SIGINT)
        open("data/pg_wal/archive_status/00000001000000000000000A.ready", "w").close()
        out, err = capture()
        assert out["consistent"] and not err and not out["unchanged"], (out, err)
        assert capture()[0]["unchanged"]
        keep("restore", "store", "latest", "back", "--force", "--quiet")
        assert os.listdir("back/pg_wal/archive_status") == [], "a copy would archive what the original does"
        assert not os.path.exists("back/backup_label"), "the label of a former version"
        server.check_version(out["version"], 1, 1)
        server.start()
        server.sql("INSERT INTO t VALUES (2, '%s')" % real.note(2))
        server.end(signal.SIGKILL)
        assert os.path.exists("data/postmaster.pid")
        out, err = capture(connect=["--app", "postgres"])
        assert out["consistent"] and not err, (out, err)
        server.check_version(out["version"], 2, 2)
        out, err = capture("--app-max-s", "2")  # the server may be one of another container
        assert not out["consistent"] if not out["unchanged"] else True, out
        assert "connection to server" in err, err
        env = shim_env()
        asked = Asked(lambda: open("data/base/1/112", "r+b").write(b"x") if dice.randrange(20) == 0 else None)
        open("data/global/more", "w").close()
        out, err = capture(connect=["--app", "postgres"], env=env)
        asked.end()
        assert not out["consistent"] and "no server runs, but it changed" in err, (out, err)


OLD_SPELLING = """
CREATE FUNCTION pg_start_backup(text, boolean, boolean) RETURNS pg_lsn LANGUAGE sql AS 'SELECT pg_backup_start($1, $2)';
CREATE FUNCTION pg_stop_backup(boolean, boolean, OUT lsn pg_lsn, OUT labelfile text, OUT spcmapfile text) RETURNS SETOF record
    LANGUAGE sql AS 'SELECT * FROM pg_backup_stop($2)';
"""


def postgres_of_an_older_version(dice):
    """A server that says it is 13, and has the functions of that: they are called by their old names."""
    with Server() as server:
        server.sql(OLD_SPELLING)
        os.mkdir("bin")
        with open("bin/psql", "w") as f:
            f.write("#!/bin/sh\n%s \"$@\" | sed -u 's/^ok|1[0-9]*|f|/ok|130004|f|/'\n" % shutil.which("psql"))
        os.chmod("bin/psql", 0o755)
        server.sql("CREATE TABLE used(name text); INSERT INTO t VALUES (1, '%s')" % real.note(1))
        env = {**os.environ, "PATH": os.path.abspath("bin") + ":" + os.environ["PATH"]}
        server.sql("CREATE OR REPLACE FUNCTION pg_start_backup(text, boolean, boolean) RETURNS pg_lsn LANGUAGE sql AS "
                   "'INSERT INTO used VALUES ($1); SELECT pg_backup_start($1, $2)'")
        out, err = capture(env=env)
        assert out["consistent"] and not err, (out, err)
        assert server.sql("SELECT name FROM used") == [("dxkeep",)]
        server.check_version(out["version"], 1, 1)
        link = os.path.abspath("data/PG_VERSION.link")
        os.link("data/PG_VERSION", link)
        out, err = capture()
        assert not out["consistent"] and out["torn_reasons"] == ["hard-links"], (out, err)
        os.unlink(link)
        assert capture()[0]["consistent"]


def what_postgres_refuses(dice):
    """No data directory, links, a standby, another server's directory, options without sense."""
    os.makedirs("data")
    assert "no data directory" in capture(status=6)[1]
    assert "no data directory" in keep("daemon", "store", "data", *CONNECT, status=6)
    assert not versions(), "a version was added"
    os.rmdir("data")
    assert "--app-connect is for" in keep("capture", "store", "data", "--app", "sqlite", "--app-connect", "a", status=1)
    assert "there are sqlite, postgres" in keep("capture", "store", "data", "--app", "mysql", status=1)
    shutil.rmtree("store", ignore_errors=True)
    with Server() as server:
        socket_of_first = os.path.abspath("sockets")
        real.run(*server.as_user(server.bin + "/pg_basebackup", "-h", socket_of_first, "-U", "test", "-D", os.path.abspath("copy/standby"), "--no-sync", "-c", "fast", "-R"))
        second = subprocess.Popen([*server.server("copy/standby", "copy"), "-F", "-c", "hot_standby=on"], stderr=open("copy.log", "ab"))
        try:
            wait_for("the standby", lambda: second.poll() is not None or server.answers("copy"))
            done = keep("capture", "store", "copy/standby", *CONNECT, status=6)
            assert "is a standby" in done, done
            with real.Libpq(server.where("copy")) as c:
                c.sql("SELECT pg_promote()")
            done = keep("capture", "store", "data", "--app", "postgres", "--app-max-s", "3", "--app-connect", "user=test host=%s" % os.path.abspath("copy"))
            assert "another directory" in done and not versions(1)[0]["consistent"], done
            keep("capture", "store", "copy/standby", "--name", "second", *CONNECT)  # another timeline
            assert "consistent" in keep("log", "store", "--name", "second")
            keep("restore", "store", "latest", "back", "--name", "second")
        finally:
            second.send_signal(signal.SIGQUIT)
            second.wait(PATIENCE)
        os.unlink("back/standby.signal") if os.path.exists("back/standby.signal") else None
        server.check("back")
        with server.connect() as c:
            c.sql("SET allow_in_place_tablespaces = on")
            c.sql("CREATE TABLESPACE inner_one LOCATION ''")
        assert "in-place tablespaces" in capture(status=6)[1]
        server.sql("DROP TABLESPACE inner_one")
        server.end(signal.SIGINT)
        os.rename("data/pg_wal", "wal")
        os.symlink(os.path.abspath("wal"), "data/pg_wal")
        assert "pg_wal is a link" in capture(status=6)[1]
    keep("capture", "store", "data", "--app", "postgres", "--name", "x", status=6)


CASES = [postgres_under_pgbench, postgres_under_a_daemon, postgres_with_other_files, postgres_between_any_two_reads, postgres_backups_that_fail, postgres_at_rest, postgres_of_an_older_version, what_postgres_refuses]

if __name__ == "__main__":
    sys.exit(kit.main(CASES, "test_dxkeep_postgres"))
