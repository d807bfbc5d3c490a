#!/usr/bin/env python3
"""dxkeep --remote against a remote at its worst: it is killed in the middle, stalls, answers late, has a full disk, has other versions,
sends other bytes than it should. What the remote has is compared with the record of the test and with the local versions.
usage: test_dxkeep_remote.py [FILTER...]
       DXKEEP=path DXUP=path DX_TEST_SEED=n DX_ROUNDS=n"""
import json, os, resource, select, shutil, signal, socket, subprocess, sys, threading, time

import test_dxkeep as kit
from test_dxkeep import DXKEEP, PATIENCE, ROUNDS, Model, difference, free_port, keep, latest, said, seen, stop, the_log, versions, wait_for

DXUP = os.path.abspath(os.environ.get("DXUP", os.path.join(os.path.dirname(DXKEEP), "dxup")))


BEGUN = []  # processes that a case has started


def begin(*arguments, **how):
    BEGUN.append(subprocess.Popen(arguments, **how))
    return BEGUN[-1]


def start(*more):
    BEGUN.append(kit.start(*more))
    return BEGUN[-1]


def alone(case):
    """A case, after which nothing of it runs."""
    def run(dice):
        try:
            case(dice)
        finally:
            while BEGUN:
                process = BEGUN.pop()
                if process.poll() is None:
                    process.kill()
                    process.wait()
    run.__name__ = case.__name__
    return run


class Remote:
    """A dxup serve --push on a port that stays the same."""

    def __init__(self, store="remote"):
        self.store, self.port, self.process = store, free_port(), None
        self.start()

    def start(self, limit=None):
        def few_bytes():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        end = time.monotonic() + PATIENCE
        while True:
            self.process = begin(*[DXUP, "serve", self.store, "--listen", "127.0.0.1:0", "--workers", "1", "--push", self.address()],
                                            stdout=subprocess.PIPE, stderr=open("served", "ab"), preexec_fn=few_bytes if limit else None)
            if b"listening" in self.process.stdout.readline():
                self.process.stdout.readline()
                return
            self.process.wait()
            assert time.monotonic() < end, open("served").read()[-1000:]
            time.sleep(0.05)

    def address(self):
        return "127.0.0.1:%d" % self.port

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def versions(self, name="dir"):
        done = subprocess.run([DXUP, "log", self.store, name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def latest(self, name="dir"):
        found = self.versions(name)
        return found[0]["version"] if found else 0

    def is_sound(self):
        return "is sound" in subprocess.run([DXUP, "verify", self.store], stdout=subprocess.PIPE).stdout.decode()


class Proxy(threading.Thread):
    """Between dxkeep and the remote: counts bytes, cuts, stalls, delays, changes a byte."""

    def __init__(self, remote):
        super().__init__(daemon=True)
        self.remote, self.up, self.down, self.pairs = remote, 0, 0, []
        self.stalled, self.cut_after, self.delay, self.flip_after = False, None, 0, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.start()

    def address(self):
        return "127.0.0.1:%d" % self.listener.getsockname()[1]

    def drop(self, pair):
        for s in pair:
            s.close()
        self.pairs.remove(pair)

    def turn(self):
        both = {}
        for pair in self.pairs:
            both[pair[0]], both[pair[1]] = pair, pair
        ready = select.select([self.listener, *(both if not self.stalled else ())], [], [], 0.02)[0]
        for s in ready:
            if s is self.listener:
                client = s.accept()[0]
                try:
                    self.pairs.append((client, socket.create_connection(("127.0.0.1", self.remote.port), 5)))
                except OSError:
                    client.close()
                continue
            pair = both[s]
            if pair not in self.pairs:
                continue
            try:
                data = s.recv(65536)
                if self.delay:
                    time.sleep(self.delay)
                up = s is pair[0]
                if self.cut_after is not None and up:
                    data, self.cut_after = data[:self.cut_after], max(0, self.cut_after - len(data))
                if self.flip_after is not None and not up:
                    if self.flip_after < len(data):
                        data = bytearray(data)
                        data[self.flip_after] ^= 1
                        self.flip_after = None
                    else:
                        self.flip_after -= len(data)
                if data:
                    (pair[1] if up else pair[0]).sendall(data)
                if up:
                    self.up += len(data)
                else:
                    self.down += len(data)
                if not data or self.cut_after == 0:
                    self.cut_after = None
                    self.drop(pair)
            except OSError:
                self.drop(pair)

    def run(self):
        while True:
            self.turn()


def status():
    return json.loads(keep("status", "store", "--json"))


def shipped(remote):
    """Waits until the remote has the latest version, and status says so."""
    wait_for("the latest version at the remote", lambda: latest() and remote.latest() == latest())
    wait_for("a status without lag", lambda: status()["behind_versions"] == 0 and status()["behind_bytes"] == 0)


def agree(remote):
    """All versions of the remote are those of the store, by number, time and root."""
    here = {v["version"]: v for v in versions()}
    for v in remote.versions():
        if v["version"] < min(here):  # of the machine before
            continue
        assert v["version"] in here and v["hash"] == here[v["version"]]["root"], "version %d is another one at the remote" % v["version"]
    assert remote.is_sound()


def fetched(remote, *how, target="fetched"):
    keep("restore", "--remote", remote.address(), target, "--force", "--quiet", *how)
    assert not os.path.exists(".%s.dxkeep-remote" % target)
    return seen(target)


# ---- cases
def every_version_reaches_the_remote(dice):
    """Each version has its number there, and is restored from there alone as the model recorded it."""
    model, noted, remote = Model("data", dice), {}, Remote()
    process = start("--scan-s", "1", "--remote", remote.address())
    for _ in range(ROUNDS):
        model.some(dice.choice([1, 3, 10, 30]))
        noted[kit.captured(model, process)] = model.expected()
    shipped(remote)
    stop(process)
    agree(remote)
    assert [v["version"] for v in versions()] == [v["version"] for v in remote.versions()]
    shutil.rmtree("store")
    shutil.rmtree("data")
    for version, state in noted.items():
        found = fetched(remote, "--time", str(version))
        assert not difference(state, found), difference(state, found)
    remote.kill(signal.SIGTERM)


def a_lost_machine_is_continued(dice):
    """Without store and directory, run restores from the remote and continues the numbers."""
    model, remote = Model("data", dice), Remote()
    process = start("--remote", remote.address())
    model.some(30)
    kit.captured(model, process)
    shipped(remote)
    stop(process)
    before = remote.latest()  # one more may have come, of the same state
    shutil.rmtree("store")
    shutil.rmtree("data")
    keep("run", "store", "data", "--remote", remote.address(), "--", "sh", "-c", "echo more >data/more")
    found = seen("data")
    del found["more"]
    assert not difference({k: v for k, v in model.expected().items() if k}, {k: v for k, v in found.items() if k})
    assert versions()[-1]["version"] == before and latest() > before, versions()
    assert remote.latest() == latest(), "the last version was not sent before the end"
    agree(remote)
    remote.kill()


def only_what_is_missing_travels(dice):
    """One byte of 20 MB costs little, in both directions; so does an equal file."""
    os.makedirs("data")
    with open("data/big", "wb") as f:
        f.write(dice.randbytes(20000000))
    remote = Remote()
    proxy = Proxy(remote)
    process = start("--remote", proxy.address())
    shipped(remote)
    assert 20000000 < proxy.up < 21000000, proxy.up
    first = proxy.up + proxy.down
    shutil.copy("data/big", "data/copy")
    with open("data/big", "r+b") as f:
        f.seek(dice.randrange(20000000))
        f.write(b"!")
    time.sleep(0.5)
    wait_for("the second version", lambda: latest() > 1)
    shipped(remote)
    assert proxy.up + proxy.down - first < 60000, "%d bytes for one" % (proxy.up + proxy.down - first)
    size = os.path.getsize("remote/objects")
    assert size < 20500000, "the remote stores %d bytes: no deltas" % size
    stop(process)
    agree(remote)
    remote.kill()


def a_remote_killed_at_any_moment(dice):
    """SIGKILL of the remote and cuts in the middle of a transfer: it continues where it was, and nothing is half there."""
    model, remote, noted = Model("data", dice), Remote(), {}
    proxy = Proxy(remote)
    process = start("--scan-s", "1", "--remote", proxy.address(), "--remote-lease", "1")
    for turn in range(ROUNDS):
        with open("data/large%d" % turn, "wb") as f:
            f.write(dice.randbytes(3000000))
        os.chmod("data/large%d" % turn, 0o644)
        model.entries["large%d" % turn] = kit.File(open("data/large%d" % turn, "rb").read(), 0o644)
        model.some(3)
        if turn % 2:
            proxy.cut_after = dice.randrange(1, 3000000)
            time.sleep(dice.random() * 0.5)
        else:
            time.sleep(dice.random())
            remote.kill()
            remote.start()
        noted[kit.captured(model, process)] = model.expected()
    shipped(remote)
    most = 3000000 * ROUNDS
    assert proxy.up < 2 * most + 5000000, "%d bytes were sent for %d" % (proxy.up, most)
    stop(process)
    agree(remote)
    for version, state in list(noted.items())[-3:]:
        found = fetched(remote, "--time", str(version))
        assert not difference(state, found), difference(state, found)
    remote.kill()


def a_remote_that_stalls_holds_up_nothing(dice):
    """Captures go on at their pace, status has the lag, and what waits follows; at most --remote-behind versions."""
    os.makedirs("data")
    remote = Remote()
    proxy = Proxy(remote)
    process = start("--remote", proxy.address(), "--remote-behind", "3", "--quiet-ms", "1", "--hold-ms", "50")
    shipped(remote)
    proxy.stalled = True
    began = latest()
    for i in range(12):
        open("data/f", "a").write("%d\n" % i)
        wait_for("version %d" % i, lambda: latest() >= began + i + 1, process)
    now = status()
    assert now["behind_versions"] >= 12 and now["behind_bytes"] > 0 and now["remote_lag_ms"] > 0, now
    proxy.stalled = False
    shipped(remote)
    there = [v["version"] for v in remote.versions()]
    assert len(there) < 12 and latest() in there, there
    assert status()["skipped_versions"] > 0
    assert status()["remote_state"] == "ready" and not status()["remote_why"], status()
    stop(process)
    agree(remote)
    remote.kill()


def a_remote_that_is_away(dice):
    """No remote at the start, later one, later none: the program is not disturbed, and the end waits no longer than --grace."""
    os.makedirs("data")
    remote = Remote()
    remote.kill()
    open("data/f", "w").write("1")
    process = start("--remote", remote.address(), "--grace", "1")
    wait_for("a version", lambda: latest() == 1, process)
    wait_for("the state", lambda: status().get("remote_state") == "away")
    assert status()["behind_versions"] == 1 and status()["remote_why"], status()
    remote.start()
    shipped(remote)
    assert said("versions are sent again")
    remote.kill()
    open("data/f", "w").write("2")
    wait_for("a version", lambda: latest() == 2, process)
    time.sleep(0.1)
    assert "behind: versions wait for the remote for" in keep("status", "store", "--max-lag", "0", status=6)
    keep("status", "store", "--max-lag", "1000")
    began = time.monotonic()
    stop(process)
    assert time.monotonic() - began < 5, "the end took %.1f s" % (time.monotonic() - began)
    assert said("not sent"), the_log()
    remote.start()
    process = start("--remote", remote.address())
    shipped(remote)
    stop(process)
    remote.kill()


def a_full_remote(dice):
    """Its disk is full: captures go on, status says why; once there is room, all versions follow."""
    os.makedirs("data")
    remote = Remote()
    remote.kill()
    remote.start(limit=1500000)
    process = start("--remote", remote.address())
    shipped(remote)
    for i in range(3):
        with open("data/f%d" % i, "wb") as f:
            f.write(dice.randbytes(1000000))
        wait_for("version %d" % i, lambda: latest() >= i + 2, process)
    wait_for("the refusal", lambda: "cannot store" in status()["remote_why"])
    now = status()
    assert now["behind_versions"] >= 1 and now["remote_state"] == "refused" and now["behind_bytes"] > 500000, now
    assert remote.process.poll() is None and remote.is_sound()
    remote.kill(signal.SIGTERM)
    remote.start()
    shipped(remote)
    assert [v["version"] for v in versions()] == [v["version"] for v in remote.versions()]
    stop(process)
    agree(remote)
    remote.kill()


def a_remote_with_other_versions(dice):
    """Versions of another directory are not added to, and none is replaced."""
    os.makedirs("other")
    open("other/f", "w").write("other")
    keep("capture", "remote", "other")
    remote = Remote()
    os.makedirs("data")
    open("data/f", "w").write("mine")
    process = start("--remote", remote.address())
    wait_for("a version", lambda: latest() == 1, process)
    wait_for("the refusal", lambda: status().get("remote_state") == "other")
    open("data/f", "w").write("more")
    wait_for("a version", lambda: latest() == 2, process)
    assert len(remote.versions()) == 1 and status()["behind_versions"] == 2, status()
    stop(process)
    process = start("--remote", remote.address() + "/mine")
    wait_for("the versions under another name", lambda: remote.latest("mine") == 2, process)
    stop(process)
    remote.kill()


def a_hostile_remote(dice):
    """Something else listens: it sends random bytes, or nothing. Captures go on, and dxkeep ends when it is told."""
    os.makedirs("data")
    open("data/f", "w").write("0\n")
    listener = socket.create_server(("127.0.0.1", 0))
    heard = []

    def answer():
        while True:
            c = listener.accept()[0]
            heard.append(c)
            try:
                for _ in range(dice.randrange(3)):
                    c.sendall(dice.randbytes(dice.randrange(1, 300)))
                    time.sleep(0.05)
                if dice.randrange(2):
                    c.close()
            except OSError:
                pass

    threading.Thread(target=answer, daemon=True).start()
    process = start("--remote", "127.0.0.1:%d" % listener.getsockname()[1], "--grace", "1")
    for i in range(10):
        open("data/f", "a").write("%d\n" % i)
        wait_for("version %d" % i, lambda: latest() >= i + 1, process)
    wait_for("several attempts", lambda: len(heard) >= 3, process)
    assert status()["remote_state"] == "away" and status()["remote_version"] == 0
    stop(process)
    keep("verify", "store")


def a_remote_that_says_nothing(dice):
    """It accepts connections, but sends nothing: after a minute that is the message, and nothing is restored or started."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % listener.getsockname()[1]
    out = keep("restore", "--remote", address, "back", status=3)
    assert "%s does not answer" % address in out and "protocol" not in out and not os.path.exists("back"), out
    listener.close()


def a_restore_is_all_or_nothing(dice):
    """A byte is changed on the way, the connection is cut, the server has lost objects: the target stays as it was."""
    model, remote = Model("data", dice), Remote()
    process = start("--remote", remote.address())
    for i in range(3):
        open("data/big%d" % i, "wb").write(dice.randbytes(1500000))
    wait_for("a version", lambda: latest() >= 1, process)
    time.sleep(1.5)
    shipped(remote)
    stop(process)
    expected = seen("data")
    os.makedirs("back")
    open("back/mine", "w").write("mine")
    before = seen("back")
    for turn in range(6):
        proxy = Proxy(remote)
        proxy.flip_after = dice.randrange(4500000)
        done = subprocess.run([DXKEEP, "restore", "--remote", proxy.address(), "back", "--force"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        now = seen("back")
        if done.returncode:
            assert not difference(before, now), "status %d and another target" % done.returncode
        else:
            assert not difference(expected, now), "status 0 and wrong content"
            before = now
    keep("restore", "--remote", remote.address(), "mine", "--time", "999", status=2)
    keep("restore", "--remote", remote.address() + "/nobody", "mine", status=2)
    assert not os.path.exists("mine")
    assert not difference(expected, fetched(remote))
    at = os.path.getsize("remote/objects") // 2
    remote.kill()
    with open("remote/objects", "r+b") as f:
        f.seek(at)
        f.write(bytes(5000))
    remote.start()
    done = subprocess.run([DXKEEP, "restore", "--remote", remote.address(), "damaged"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode and not os.path.exists("damaged"), done.stdout.decode()
    remote.kill()


def two_never_write(dice):
    """A writer that is killed or cut off, and one that stands by. The oracle is the order of versions at the remote: once the second
    has written, nothing of the first follows, also after the line is whole again."""
    remote = Remote()
    for turn in range(max(2, ROUNDS // 3)):
        name = "turn%d" % turn
        for one in ("store", "data", "second", "second.data"):
            shutil.rmtree(one, ignore_errors=True)
        os.makedirs("data")
        open("data/who", "w").write("first 0\n")
        proxy = Proxy(remote)
        first = start("--remote", proxy.address() + "/" + name, "--remote-lease", "1", "--quiet-ms", "1", "--hold-ms", "20")
        wait_for("the first version", lambda: remote.latest(name) >= 1, first)
        second = begin(*[DXKEEP, "daemon", "second", "second.data", "--standby", "--verbose", "--remote", remote.address() + "/" + name,
                                   "--remote-lease", "1", "--quiet-ms", "1", "--hold-ms", "20"], stderr=open("log2", "ab"))
        stay = time.monotonic() + 1.5
        writes = 0
        while time.monotonic() < stay:  # the first lives: the second must wait
            writes += 1
            open("data/who", "a").write("first %d\n" % writes)
            time.sleep(0.05 + 0.1 * dice.random())
        assert not os.path.exists("second.data"), "the second began beside the first: " + open("log2").read()[-500:]
        killed = turn % 2 == 0
        if killed:
            first.kill()
            first.wait()
        else:
            proxy.stalled = True
        wait_for("the second", lambda: os.path.exists("second.data/who"), second)
        text = open("second.data/who").read()
        assert text.startswith("first 0\n"), text
        open("second.data/who", "a").write("second\n")
        for _ in range(5):
            open("data/who", "a").write("late\n")
            open("second.data/who", "a").write("second\n")
            time.sleep(0.1)
        if not killed:
            proxy.stalled = False
            wait_for("the first to know", lambda: status()["remote_state"] == "fenced", first)
            assert said("another dxkeep has taken over")
            open("data/who", "a").write("late\n")
            time.sleep(0.5)
            stop(first)
        wait_for("the second's versions", lambda: b"second\n" * 6 in cat(remote, name), second)
        second.send_signal(signal.SIGTERM)
        second.wait(PATIENCE)
        turned = False
        for v in reversed(remote.versions(name)):
            text = cat(remote, name, v["version"])
            assert not (turned and b"second" not in text), "the first wrote after the second"
            assert b"late" not in text or b"second" not in text
            turned |= b"second" in text
        assert turned
    keep("daemon", "store", "data", "--standby", "--remote", remote.address(), status=6)
    keep("daemon", "store", "data", "--standby", status=1)
    assert remote.is_sound()
    remote.kill()


# Writes the time to a file that both machines see, as does a child that has left it.
WITNESS = """
import os, signal, sys, time
os.umask(0)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
f = os.open("../witness", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    os.write(f, b"%s %.6f\\n" % (sys.argv[1].encode(), time.monotonic()))
    open("data.a/who" if sys.argv[1] == "a" else "data.b/who", "a").write(sys.argv[1])
    time.sleep(0.005)
"""


def two_programs_never_run(dice):
    """--fence: the line of the first one is dead, or dxkeep is stopped or killed besides, and its program does not mind SIGTERM. The
    oracle is a file that both programs write: nothing of the first one is later than what the second one writes."""
    remote = Remote()
    for kind in ("cut", "stubborn", "stopped", "supervised"):
        name, ways = "of_" + kind, [(), ("--supervise",)][kind == "supervised"]
        os.makedirs(kind)
        proxy = Proxy(remote)

        def machine(label, address, *more):
            command = [DXKEEP, "run", "store." + label, "data." + label, "--fence", "--remote", address + "/" + name, "--remote-lease", "4", "--quiet-ms", "1", "--hold-ms", "20",
                       "--grace", "1", *more, "--", sys.executable, "-c", WITNESS.replace("../witness", "witness"), label, kind]
            return begin(*command, cwd=kind, stdout=subprocess.DEVNULL, stderr=open(kind + ".log." + label, "ab"))

        def lines():
            try:
                return [line.split() for line in open(kind + "/witness").read().split("\n")[:-1]]
            except FileNotFoundError:
                return []

        os.makedirs(kind + "/data.a")
        open(kind + "/data.a/who", "w").write("0")
        first = machine("a", proxy.address(), *ways)
        wait_for("the first version", lambda: remote.latest(name) >= 2 and lines(), first)
        second = machine("b", remote.address(), "--standby")
        time.sleep(5)
        assert not os.path.exists(kind + "/data.b"), "the second began beside the first"
        assert first.poll() is None, open(kind + ".log.a").read()
        proxy.stalled = True
        if kind == "stopped":
            first.send_signal(signal.SIGSTOP)
        if kind == "supervised":
            for child in kit.children_of(first.pid):
                if "dxkeep" in os.readlink("/proc/%d/exe" % child):
                    os.kill(child, signal.SIGKILL)
        wait_for("the second", lambda: any(who == "b" for who, _ in lines()), second)
        time.sleep(0.3)
        late = max(float(at) for who, at in lines() if who == "a") - min(float(at) for who, at in lines() if who == "b")
        assert late < 0, "%s: the first program wrote %.3f s after the second had begun" % (kind, late)
        if kind == "stopped":
            first.send_signal(signal.SIGCONT)
        assert first.wait(PATIENCE) == 6, (kind, first.returncode, open(kind + ".log.a").read())
        assert "lease could not be renewed" in open(kind + ".log.a").read()
        proxy.stalled = False
        again = machine("a", proxy.address())  # its directory is what the first run has left: it waits, and is not started
        time.sleep(0.5)
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE) in (6, 128 + signal.SIGTERM) if kind != "stubborn" else second.kill() or second.wait(PATIENCE)
        assert again.wait(PATIENCE) == 6 and "is not one of this store" in open(kind + ".log.a").read(), open(kind + ".log.a").read()
    keep("run", "store", "data", "--fence", "--", "true", status=1)
    assert remote.is_sound()
    remote.kill()


def cat(remote, name, version=None):
    done = subprocess.run([DXUP, "cat", remote.store, name + ("@%d" % version if version else "") + ":who"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout


def a_restart_needs_no_wait(dice):
    """dxkeep is killed and starts again on the same store: it goes on at once, though its lease has not ended."""
    os.makedirs("data")
    remote = Remote()
    process = start("--remote", remote.address(), "--remote-lease", "600")
    open("data/f", "w").write("1")
    wait_for("a version", lambda: latest() >= 1, process)
    shipped(remote)
    process.kill()
    process.wait()
    process = start("--remote", remote.address(), "--remote-lease", "600")
    open("data/f", "w").write("2")
    wait_for("a version", lambda: latest() >= 2, process)
    shipped(remote)
    assert status()["epoch"] == 2, status()
    shutil.copytree("store", "another")
    os.unlink("another/remote-" + [n for n in os.listdir("another") if n.startswith("remote-")][0][7:])
    os.makedirs("empty")
    other = begin(*[DXKEEP, "daemon", "another", "data", "--remote", remote.address()], stderr=open("log2", "wb"))
    wait_for("the refusal", lambda: b"has the lease" in open("log2", "rb").read(), other)
    other.terminate()
    other.wait(PATIENCE)
    stop(process)
    remote.kill()


def what_metrics_say(dice):
    """The lag in versions, bytes and seconds, while the remote is away and after."""
    import urllib.request
    os.makedirs("data")
    remote, port = Remote(), free_port()

    def metric(name):
        text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=PATIENCE).read().decode()
        return float([line for line in text.splitlines() if line.startswith("dxkeep_remote_%s " % name)][0].split()[1])

    process = start("--remote", remote.address(), "--metrics-addr", "localhost:%d" % port)
    shipped(remote)
    wait_for("the remote", lambda: metric("up") == 1, process)
    assert metric("behind_versions") == 0 and metric("behind_bytes") == 0 and metric("lag_seconds") == 0
    remote.kill()
    wait_for("its end", lambda: metric("up") == 0, process)
    open("data/f", "wb").write(dice.randbytes(300000))
    wait_for("a version", lambda: latest() == 2, process)
    remote.start()
    shipped(remote)
    assert metric("version") == 2 and metric("sent_bytes_total") > 300000
    stop(process)
    remote.kill()


def gc_of_a_remote_in_use(dice):
    """The line of examples/sidecar/README.md, while a dxkeep sends a version every few milliseconds; likewise dxup gc."""
    os.makedirs("data")
    remote = Remote("deploy")
    line = [line for line in open(os.path.join(kit.top, "examples/sidecar/README.md")) if "-- dxkeep gc " in line][0]
    command = [remote.store if word == "/keep/store" else word for word in line.split("-- dxkeep ")[1].split()]
    name = command[command.index("--name") + 1]
    open("deploy/wanted", "w").close()  # of a gc that was killed
    process = start("--quiet-ms", "1", "--hold-ms", "20", "--name", name, "--remote", remote.address() + "/" + name)
    writes, told = threading.Event(), []

    def write():
        at = 0
        while not writes.wait(0.005):
            at += 1
            open("data/f", "wb").write(b"%d" % at + bytes(2000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for how in (command, ["--dxup"], command):
            before = remote.latest(name)
            wait_for("some versions", lambda: remote.latest(name) > before + 5, process)
            if how[0] == "--dxup":
                done = subprocess.run([DXUP, "gc", remote.store], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
                assert not done.returncode, done.stdout
            else:
                count = len(remote.versions(name))
                told.append(json.loads(keep(*how, "--json"))["versions_removed"])
                assert told[-1] >= count - 6, (told, count)  # all are of one hour, and two of a day at most
    finally:
        writes.set()
        writer.join()
    wait_for("the last version", lambda: json.loads(keep("status", "store", "--name", name, "--json"))["behind_versions"] == 0, process)
    assert not os.path.exists("deploy/wanted")
    assert remote.is_sound()
    # One that has the store for good is not waited for.
    assert "a dxkeep, process %d, captures into it" % process.pid in keep("gc", "store", "--name", name, "--keep", "last=1", status=6)
    stop(process)
    remote.kill()


def a_run_without_changes(dice):
    """Versions of an earlier run, which the remote lacks: a run that adds none sends them, or says that it could not."""
    os.makedirs("data")
    keep("run", "store", "data", "--", "sh", "-c", "echo 1 >data/f")
    remote = Remote()
    remote.kill()
    assert "network error" in keep("restore", "--remote", remote.address(), "none", status=3) + keep("help", "restore")
    assert all("\n  3 " in keep("help", command) for command in ("run", "daemon", "restore"))
    began = time.monotonic()
    out = keep("run", "store", "data", "--remote", remote.address(), "--grace", "2", "--", "true")
    assert "remote %s: the latest version, 2, was not sent; it has none so far" % remote.address() in out, out
    assert 2 <= time.monotonic() - began < 10, "it did not try for --grace"
    remote.start()
    out = keep("run", "store", "data", "--remote", remote.address(), "--grace", "20", "--", "true")
    assert "not sent" not in out and [v["version"] for v in remote.versions()] == [2, 1], (out, remote.versions())
    remote.kill()
    began = time.monotonic()
    out = keep("run", "store", "data", "--remote", remote.address(), "--grace", "20", "--", "true")
    assert "not sent" not in out and time.monotonic() - began < 10, out  # it has everything
    out = keep("run", "store", "data", "--remote", remote.address(), "--grace", "1", "--", "sh", "-c", "echo 2 >data/f")
    assert "the latest version, 3, was not sent; it has version 2" in out, out


CASES = [a_run_without_changes, gc_of_a_remote_in_use, every_version_reaches_the_remote, a_lost_machine_is_continued, only_what_is_missing_travels, a_remote_killed_at_any_moment,
         a_remote_that_stalls_holds_up_nothing, a_remote_that_is_away, a_full_remote, a_remote_with_other_versions, a_hostile_remote, a_remote_that_says_nothing,
         a_restore_is_all_or_nothing, two_never_write, two_programs_never_run, a_restart_needs_no_wait, what_metrics_say]

if __name__ == "__main__":
    sys.exit(kit.main([alone(case) for case in CASES], "test_dxkeep_remote"))
