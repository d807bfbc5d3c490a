#!/usr/bin/env python3
"""Two machines with dxkeep run --standby, and a third with dxup serve --push: network namespaces on a bridge. The program of the active
one appends numbered lines, each on the disk before the next. It is killed and loses its disk, or its cable is pulled; then the other one
must take over. The oracle:
    - Each version at the remote continues the file of the version before it: of two writers one would not.
    - Whoever takes over has every line that is older than the lag which status gave before the fault, and --hold-ms.
usage: dxkeep_failover.py [TURNS [SEED]]       needs root and ip"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time

TURNS, SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 4, sys.argv[2] if len(sys.argv) > 2 else "1"
DXKEEP, DXUP = (os.path.abspath(os.environ.get(name, "build/" + name.lower())) for name in ("DXKEEP", "DXUP"))
PATIENCE = 90
HOLD_MS = 100
PREFIX = "dxf%d" % (os.getpid() % 10000)
REMOTE = "10.77.0.3:7001/app"
WRITER = """
import os, sys, time
f = os.open("data/log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
n = os.pread(f, 1 << 30, 0).count(b"\\n")
while True:
    n += 1
    os.write(f, b"%d %s %.3f\\n" % (n, sys.argv[1].encode(), time.time()))
    os.fsync(f)
    time.sleep(0.01)
"""


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, stderr=subprocess.PIPE if check else subprocess.DEVNULL)


def space(name):
    return PREFIX + name


class Network:
    """The namespaces a, b and r, each with a cable to a bridge in the namespace hub."""

    def __init__(self):
        for name in ("hub", "a", "b", "r"):
            ip("netns", "add", space(name))
        ip("-n", space("hub"), "link", "add", "bridge", "type", "bridge")
        ip("-n", space("hub"), "link", "set", "bridge", "up")
        for number, name in enumerate(("a", "b", "r"), 1):
            ip("-n", space(name), "link", "add", "eth", "type", "veth", "peer", "name", "to_" + name, "netns", space("hub"))
            ip("-n", space("hub"), "link", "set", "to_" + name, "master", "bridge", "up")
            ip("-n", space(name), "addr", "add", "10.77.0.%d/24" % number, "dev", "eth")
            for link in ("eth", "lo"):
                ip("-n", space(name), "link", "set", link, "up")

    def cable(self, name, state):
        ip("-n", space("hub"), "link", "set", "to_" + name, state)

    def close(self):
        for name in ("hub", "a", "b", "r"):
            ip("netns", "del", space(name), check=False)


class Machine:
    def __init__(self, name):
        self.name, self.process, self.starts = name, None, 0

    def start(self):
        shutil.rmtree(self.name, ignore_errors=True)
        os.mkdir(self.name)
        self.starts += 1
        self.process = subprocess.Popen(["ip", "netns", "exec", space(self.name), DXKEEP, "run", "store", "data", "--standby", "--remote", REMOTE,
                                         "--remote-lease", "1", "--quiet-ms", "20", "--hold-ms", str(HOLD_MS), "--verbose", "--", sys.executable, "-c", WRITER, self.sign()],
                                        cwd=self.name, stdout=subprocess.DEVNULL, stderr=open("%s.messages" % self.name, "ab"))

    def sign(self):
        """What the lines of this start have in them."""
        return "%s%d" % (self.name, self.starts)

    def status(self):
        done = subprocess.run([DXKEEP, "status", "store", "--json"], cwd=self.name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def lines(self):
        try:
            with open(self.name + "/data/log", "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


def wait_for(what, condition, *machines):
    end = time.monotonic() + PATIENCE
    while not condition():
        for m in machines:
            assert m.process.poll() is None, "%s ended: %s" % (m.name, open(m.name + ".messages").read()[-600:])
        assert time.monotonic() < end, "no end of waiting for " + what
        time.sleep(0.02)


def time_of(line):
    return float(line.split()[2])


def whole(lines):
    return lines[:lines.rindex(b"\n") + 1] if b"\n" in lines else b""


def versions_of_the_remote():
    """Each version's file, from the first to the last."""
    done = subprocess.run([DXKEEP, "log", "remote", "--name", "app", "--json"], stdout=subprocess.PIPE, check=True)
    for v in reversed([json.loads(line) for line in done.stdout.splitlines()]):
        got = subprocess.run([DXKEEP, "cat", "remote", str(v["version"]), "log", "--name", "app"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        yield v["version"], got.stdout if got.returncode == 0 else b""


def fail(network, active, other, dice, losses):
    """One fault of the active machine; ends when the other one writes, and the first waits again with an empty disk."""
    mine = b" %s " % other.sign().encode()
    wait_for("the lines of " + active.name, lambda: b" %s " % active.sign().encode() in active.lines(), active, other)
    wait_for("versions at the remote", lambda: active.status().get("remote_version"), active, other)
    time.sleep(dice.random() * 1.5)
    assert mine not in active.lines() or not other.lines(), "both have a directory"
    kind = dice.choice(("killed", "cut", "cut"))
    at, status = time.time(), active.status()
    if kind == "killed":
        active.end(signal.SIGKILL)
    else:
        network.cable(active.name, "down")
    fault = time.time()
    before = active.lines()
    if kind == "killed":
        shutil.rmtree(active.name)
    wait_for(other.name + " to take over", lambda: mine in other.lines(), other)
    taken = restored(other.lines(), mine)
    assert before.startswith(taken) or active.lines().startswith(taken), "%s did not take over what %s had: %r" % (other.name, active.name, taken[-80:])
    # Changes are counted when --hold-ms has passed; the system and status take some time, too.
    lag = max(status.get("remote_lag_ms", 0), status.get("lag_ms", 0)) / 1000 + HOLD_MS / 1000 + 0.4
    lost = [line for line in whole(before)[len(taken):].splitlines() if time_of(line) < at - lag]
    assert not lost, "a lag of %.3f s was reported, but %d older lines are lost, the first of %.3f s before; %s, %s" % (lag, len(lost), at - time_of(lost[0]), kind, status)
    losses.append((whole(before)[len(taken):].count(b"\n"), fault - time_of(whole(taken).splitlines()[-1]), time.time() - fault))
    if kind == "cut":
        network.cable(active.name, "up")
        wait_for(active.name + " to know", lambda: active.status().get("remote_state") == "fenced", active, other)
        active.end(dice.choice((signal.SIGTERM, signal.SIGKILL)))
    active.start()
    return kind


def restored(lines, mine):
    """What was there before the machine's own lines that are last."""
    all_lines = lines.splitlines(keepends=True)
    while all_lines and mine in all_lines[-1]:
        all_lines.pop()
    return b"".join(all_lines)


def run(network):
    dice, losses, kinds = random.Random(SEED), [], {}
    server = subprocess.Popen(["ip", "netns", "exec", space("r"), DXUP, "serve", "remote", "--listen", "10.77.0.3:7000", "--workers", "1", "--push", "10.77.0.3:7001"],
                              stdout=subprocess.DEVNULL, stderr=open("remote.messages", "wb"))
    machines = [Machine("a"), Machine("b")]
    try:
        for m in machines:
            m.start()
            wait_for("the lease of a", lambda: machines[0].lines(), *machines[:1])
        for _ in range(TURNS):
            kind = fail(network, *machines, dice, losses)
            kinds[kind] = kinds.get(kind, 0) + 1
            machines.reverse()
        machines[0].end(signal.SIGTERM)
        machines[1].end(signal.SIGKILL)
    finally:
        for process in [server] + [m.process for m in machines if m.process]:
            process.kill()
            process.wait()
    last, count = b"", 0
    for version, lines in versions_of_the_remote():
        assert lines.startswith(whole(last)), "version %d at the remote does not continue the one before it" % version
        last, count = lines, count + 1
    numbers = [int(line.split()[0]) for line in whole(last).splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), "lines are missing in the middle"
    assert "is sound" in subprocess.run([DXUP, "verify", "remote"], stdout=subprocess.PIPE).stdout.decode()
    print("     %d fail-overs (%s), %d versions, each continues the one before it, %d lines; lost: at most %d lines, the newest that stayed at most %.2f s old; "
          "taken over after %.2f s at the median, %.2f at most" % (len(losses), ", ".join("%s %d" % k for k in sorted(kinds.items())), count, len(numbers), max(l[0] for l in losses),
                                                                   max(l[1] for l in losses), sorted(l[2] for l in losses)[len(losses) // 2], max(l[2] for l in losses)))


def main():
    if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(["ip", "netns", "add", space("x")], stderr=subprocess.DEVNULL).returncode:
        print("skip dxkeep_failover: network namespaces need root, ip, and the right to make them\ndxkeep_failover: 0 passed, 0 failed, 1 skipped")
        return 0
    ip("netns", "del", space("x"))
    work, top, failed = tempfile.mkdtemp(), os.getcwd(), 0
    os.chdir(work)
    network = None
    try:
        network = Network()
        run(network)
        print("ok   the first dies or is cut off, the second takes over, and the two never both write")
    except (AssertionError, OSError, subprocess.SubprocessError) as e:
        failed = 1
        print("FAIL line %d: %s" % (e.__traceback__.tb_next.tb_lineno, e))
    finally:
        if network:
            network.close()
        os.chdir(top)
        if not failed:
            shutil.rmtree(work, ignore_errors=True)
    print("dxkeep_failover: %d passed, %d failed, 0 skipped" % (1 - failed, failed))
    return failed


if __name__ == "__main__":
    sys.exit(main())
