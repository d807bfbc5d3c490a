#!/usr/bin/env python3
"""dxkeep against a model: a writer changes a directory at random and records its contents; whatever dxkeep restores, now and
later, must equal that record. dxkeep is killed, stopped, denied disk space, and run as the first process.
usage: test_dxkeep.py [FILTER...]     runs the cases whose name contains one of the filters
       DXKEEP=path DX_TEST_SEED=n DX_ROUNDS=n
       DX_MOMENTS=n (default 20: of random_moments_equal_plain_copies; 10000 take half an hour)"""
import contextlib, ctypes, fcntl, hashlib, json, mmap, os, random, re, shutil, signal, socket, stat, subprocess, sys, tempfile, threading, time

top = os.getcwd()
DXKEEP = os.path.abspath(os.environ.get("DXKEEP", "build/dxkeep"))
SEED = os.environ.get("DX_TEST_SEED", "1")
ROUNDS = int(os.environ.get("DX_ROUNDS", "12"))
MOMENTS = int(os.environ.get("DX_MOMENTS", "20"))
PATIENCE = int(os.environ.get("DX_PATIENCE", "60"))  # seconds that a capture may take on a busy machine
counts = {"passed": 0, "failed": 0, "skipped": 0}


class Skip(Exception):
    pass


def keep(*arguments, status=0, **more):
    done = subprocess.run([DXKEEP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
    out = done.stdout.decode(errors="replace")
    assert done.returncode == status, "status %d instead of %d: dxkeep %s\n%s" % (done.returncode, status, " ".join(arguments), out)
    return out


def versions(limit=None):
    done = subprocess.run([DXKEEP, "log", "store", "--json", *(["--limit", str(limit)] if limit else [])], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in done.stdout.splitlines()]


def latest():
    found = versions(1)
    return found[0]["version"] if found else 0


# ---- the contents of a directory, as read, and according to the model
def seen(path):
    """{path: (type, mode, content or target, group)}; names of the same file have the same group, that of the first."""
    found, groups = {}, {}

    def look(name):
        full = os.path.join(path, name) if name else path
        info = os.lstat(full)
        kind, what, group = stat.S_IFMT(info.st_mode), b"", ""
        if stat.S_ISREG(info.st_mode):
            with open(full, "rb") as f:
                what = hashlib.sha256(f.read()).digest()
            group = groups.setdefault((info.st_dev, info.st_ino), name)
        elif stat.S_ISLNK(info.st_mode):
            what = os.readlink(os.fsencode(full))
        found[name] = (kind, 0 if stat.S_ISLNK(info.st_mode) else stat.S_IMODE(info.st_mode), what, group)
        if stat.S_ISDIR(info.st_mode):
            for one in sorted(os.listdir(full)):
                look(os.path.join(name, one))

    look("")
    return found


class File:
    def __init__(self, content, mode):
        self.content, self.mode = bytearray(content), mode


class Model:
    """A directory, and its contents by its own record. Every operation does the same to both."""

    def __init__(self, path, dice):
        self.path, self.dice, self.serial = path, dice, 0
        self.entries = {"": 0o755}  # a directory: its mode; a File; bytes: the target of a link
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)

    def real(self, name):
        return os.path.join(self.path, name) if name else self.path

    def of(self, kind):
        return [n for n in sorted(self.entries) if isinstance(self.entries[n], kind)]

    def fresh_name(self):
        self.serial += 1
        name = self.dice.choice(["n%d", "a name %d", "\u00fcber%d", "%d.log", ".h%d"]) % self.serial
        return os.path.join(self.dice.choice(self.of(int)), name)

    def some_bytes(self, largest=200000):
        size = self.dice.choice([0, 1, 31, 32, 33, 4096, self.dice.randrange(1, largest)])
        return self.dice.randbytes(size)

    def expected(self):
        found, groups = {}, {}

        def order(name):  # the order in which seen() looks
            return name.split("/") if name else []

        for name in sorted(self.entries, key=order):
            e = self.entries[name]
            if isinstance(e, int):
                found[name] = (stat.S_IFDIR, e, b"", "")
            elif isinstance(e, bytes):
                found[name] = (stat.S_IFLNK, 0, e, "")
            else:
                found[name] = (stat.S_IFREG, e.mode, hashlib.sha256(e.content).digest(), groups.setdefault(id(e), name))
        return found

    # -- operations
    def create(self):
        name, content, mode = self.fresh_name(), self.some_bytes(), self.dice.choice([0o644, 0o600, 0o755, 0o444])
        with open(self.real(name), "wb") as f:
            f.write(content)
        os.chmod(self.real(name), mode)
        self.entries[name] = File(content, mode)

    def append(self):
        name, content = self.dice.choice(self.of(File)), self.some_bytes(50000)
        with open(self.real(name), "ab") as f:
            f.write(content)
        self.entries[name].content += content

    def overwrite(self):
        e = self.entries[name := self.dice.choice(self.of(File))]
        if not e.content:
            return
        at, content = self.dice.randrange(len(e.content)), self.some_bytes(3000)
        with open(self.real(name), "r+b") as f:
            f.seek(at)
            f.write(content)
        e.content[at:at + len(content)] = content

    def truncate(self):
        e = self.entries[name := self.dice.choice(self.of(File))]
        size = self.dice.choice([0, len(e.content) // 2, len(e.content) + self.dice.randrange(300000)])
        os.truncate(self.real(name), size)
        e.content[size:] = b""
        e.content += bytes(size - len(e.content))

    def store_mapped(self):
        e = self.entries[name := self.dice.choice(self.of(File))]
        if not e.content:
            return
        with open(self.real(name), "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            os_at = self.dice.randrange(len(e.content))
            m[os_at] = e.content[os_at] = self.dice.randrange(256)
            m.flush()

    def replace(self):  # as programs save: a new file takes the name
        e = self.entries[name := self.dice.choice(self.of(File))]
        content = self.some_bytes()
        with open(self.real(name) + "~", "wb") as f:
            f.write(content)
        os.chmod(self.real(name) + "~", e.mode)
        os.replace(self.real(name) + "~", self.real(name))
        self.entries[name] = File(content, e.mode)

    def rename(self):
        old, new = self.dice.choice([n for n in sorted(self.entries) if n]), self.fresh_name()
        if new.startswith(old + "/"):
            return
        os.rename(self.real(old), self.real(new))
        for name in [n for n in self.entries if n == old or n.startswith(old + "/")]:
            self.entries[new + name[len(old):]] = self.entries.pop(name)

    def link(self):
        old, new = self.dice.choice(self.of(File)), self.fresh_name()
        os.link(self.real(old), self.real(new))
        self.entries[new] = self.entries[old]

    def symlink(self):
        name, target = self.fresh_name(), self.dice.choice([b"n1", b"../nowhere", b"/etc"])
        os.symlink(target, os.fsencode(self.real(name)))
        self.entries[name] = target

    def remove(self):
        name = self.dice.choice([n for n in sorted(self.entries) if n])
        if isinstance(self.entries[name], int):
            shutil.rmtree(self.real(name))
        else:
            os.unlink(self.real(name))
        for gone in [n for n in self.entries if n == name or n.startswith(name + "/")]:
            del self.entries[gone]

    def mkdir(self):
        name = self.fresh_name()
        os.makedirs(self.real(os.path.join(name, "deep")))
        with open(self.real(os.path.join(name, "deep", "first")), "wb") as f:  # before anybody can watch it
            f.write(b"first")
        for one in (name, os.path.join(name, "deep")):
            os.chmod(self.real(one), 0o755)
            self.entries[one] = 0o755
        os.chmod(self.real(os.path.join(name, "deep", "first")), 0o644)
        self.entries[os.path.join(name, "deep", "first")] = File(b"first", 0o644)

    def chmod(self):
        name = self.dice.choice([n for n in sorted(self.entries) if n and not isinstance(self.entries[n], bytes)])
        e, mode = self.entries[name], self.dice.choice([0o700, 0o755, 0o711])
        os.chmod(self.real(name), mode)
        if isinstance(e, int):
            self.entries[name] = mode
        else:
            e.mode = mode

    def some(self, count, mapped=True, linked=True):
        for _ in range(count):
            if not self.of(File) or len(self.entries) < 4:
                self.create()
            else:
                self.dice.choice([self.create, self.create, self.append, self.append, self.overwrite, self.overwrite, self.truncate, self.replace,
                                  self.replace, self.rename, self.rename, self.symlink, self.remove, self.mkdir,
                                  self.chmod] + [self.store_mapped] * (2 * mapped) + [self.link] * linked)()


# ---- dxkeep at work
def start(*more, command="daemon", program=(), **how):
    process = subprocess.Popen([DXKEEP, command, "store", "data", "--verbose", *more, *program], stdin=subprocess.DEVNULL,
                               stderr=open("log", "ab"), **how)
    return process


def wait_for(what, condition, process=None):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "%s did not come in %d s; dxkeep says:\n%s" % (what, PATIENCE, the_log())
        assert process is None or process.poll() is None, "dxkeep has ended:\n" + the_log()
        time.sleep(0.05)


def the_log():
    return open("log", errors="replace").read()[-2000:] if os.path.exists("log") else ""


def said(text):
    return os.path.exists("log") and text in open("log", errors="replace").read()


def stop(process, how=signal.SIGTERM, status=0):
    process.send_signal(how)
    assert process.wait(PATIENCE) == status, "dxkeep ended with %s:\n%s" % (process.returncode, the_log())


def restored(version, target="back"):
    keep("restore", "store", str(version), target, "--force", "--quiet")
    return seen(target)


def difference(a, b):
    lines = ["%r: %r, %r" % (n, a.get(n), b.get(n)) for n in sorted(set(a) | set(b)) if a.get(n) != b.get(n)]
    return "\n".join(lines[:10])


def captured(model, process):
    """Waits until the latest version equals the model, and returns its number."""
    assert not difference(seen(model.path), model.expected()), "the model is wrong:\n" + difference(seen(model.path), model.expected())
    looked_at, state = 0, ""

    def is_there():
        nonlocal looked_at, state
        version = latest()
        if version != looked_at:
            looked_at = version
            state = difference(model.expected(), restored(version)) if version else "nothing"
        return version and not state

    try:
        wait_for("the state of the model", is_there, process)
    except AssertionError as e:
        raise AssertionError("%s\nversion %d differs:\n%s" % (e, looked_at, state)) from None
    return looked_at


def all_as_noted(noted):
    for version, state in noted.items():
        assert not difference(state, restored(version)), "version %d is another now:\n%s" % (version, difference(state, restored(version)))
    assert "is sound" in keep("verify", "store")


# ---- cases
def any_version_is_what_the_directory_was(dice):
    """DK-8: Random operations; the state after each batch is captured, and each version keeps its content."""
    model, noted = Model("data", dice), {}
    process = start("--scan-s", "1")
    wait_for("the start", lambda: said("watching"), process)
    for _ in range(ROUNDS):
        model.some(dice.choice([1, 1, 3, 10, 40]))
        noted[captured(model, process)] = model.expected()
    stop(process)
    model.some(5)
    process = start("--scan-s", "0")
    noted[captured(model, process)] = model.expected()
    stop(process)
    all_as_noted(noted)


def rsync_finds(a, b):
    """The differences of two directories: content, modes, times, owners, hard links, attributes, access control lists, names."""
    done = subprocess.run(["rsync", "-nacHAXS", "--delete", "--itemize-changes", a + "/", b + "/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL)
    return done.stdout.decode(errors="replace") + ("status %d" % done.returncode if done.returncode else "")


def change_what_is_no_content(model, dice):
    """Attributes, owners, times and a pipe, which the model does not know."""
    path = model.real(dice.choice(sorted(model.entries)))
    what = dice.choice(["xattr", "times", "owner", "pipe"])
    if what == "times":
        os.utime(path, ns=(dice.randrange(1 << 60), dice.randrange(1 << 60)), follow_symlinks=False)
    elif what == "xattr" and not os.path.islink(path):
        os.setxattr(path, "user.%d" % dice.randrange(3), dice.randbytes(dice.randrange(300)))
    elif what == "owner" and not os.geteuid():
        os.chown(path, dice.randrange(1, 5), dice.randrange(1, 5), follow_symlinks=False)
    elif what == "pipe":
        os.mkfifo(model.real(model.fresh_name()))


def a_history_with_copies(dice, states):
    """A daemon captures a directory. Returns, for each state at rest, the time from which and up to which it was, and a plain copy."""
    model, rests = Model("data", dice), []
    process = start("--scan-s", "1", "--quiet-ms", "10", "--hold-ms", "100")
    wait_for("the start", lambda: said("watching"), process)
    for at in range(states):
        model.some(dice.choice([1, 1, 3, 10, 40]))
        for _ in range(dice.randrange(3)):
            change_what_is_no_content(model, dice)
        looked_at = 0

        def is_there():
            nonlocal looked_at
            if latest() == looked_at:
                return False
            looked_at = latest()
            keep("restore", "store", str(looked_at), "back", "--force", "--quiet")
            return not rsync_finds("data", "back")

        wait_for("a version that equals the directory", is_there, process)
        since_ns = time.time_ns()
        subprocess.run(["cp", "-a", "--sparse=always", "data", "copy-%d" % at], check=True)
        assert not rsync_finds("data", "copy-%d" % at), "cp has made another directory"
        rests.append((since_ns, time.time_ns(), "copy-%d" % at))
    stop(process)
    return rests


def random_moments_equal_plain_copies(dice):
    """DK-8: any moment while the directory was at rest is restored as the plain copy that was made then; rsync finds no difference.
    Every 250 moments are of another history."""
    if not shutil.which("rsync"):
        raise Skip("rsync is not installed")
    top_of_case, done, versions_seen = os.getcwd(), 0, 0
    while done < MOMENTS:
        os.mkdir("history")
        os.chdir("history")
        rests = a_history_with_copies(dice, 25 if MOMENTS > 250 else 5)
        for _ in range(min(250, MOMENTS - done)):
            since_ns, until_ns, copy = dice.choice(rests)
            moment = dice.randrange(since_ns, until_ns + 1)
            text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment // 10**9)) + ".%09d" % (moment % 10**9)
            shutil.rmtree("back", ignore_errors=True)
            keep("restore", "store", text, "back", "--quiet")
            found = rsync_finds(copy, "back")
            assert not found, "%s is not %s: %s" % (text, copy, found)
            done += 1
        assert "is sound" in keep("verify", "store")
        versions_seen += latest()
        os.chdir(top_of_case)
        shutil.rmtree("history")
        if MOMENTS > 250:
            print("     %d moments in %d versions equal plain copies" % (done, versions_seen), flush=True)


def notified_changes_need_no_scan(dice):
    """The same without scans, and without changes that cause no notification."""
    model, noted = Model("data", dice), {}
    process = start("--scan-s", "0")
    wait_for("the start", lambda: said("watching"), process)
    for _ in range(2 * ROUNDS):
        model.some(dice.choice([1, 1, 2, 5, 20]), mapped=False, linked=dice.randrange(6) == 0)
        noted[captured(model, process)] = model.expected()
        if dice.randrange(5) == 0:  # the result of notifications equals that of a full scan, to the last byte
            before = latest()
            stop(process)
            assert latest() == before, "the last capture found what no notification said: %r" % versions(2)
            process = start("--scan-s", "0")
            wait_for("the start", lambda: the_log().rstrip().endswith("watching data"), process)
    stop(process)
    all_as_noted(noted)


def killed_at_any_moment(dice):
    """SIGKILL between and in captures: recorded versions stay, nothing is half done, and the next run continues."""
    model, noted = Model("data", dice), {}
    for turn in range(ROUNDS):
        process = start("--scan-s", "1", "--quiet-ms", "1", "--hold-ms", "10")
        for _ in range(dice.randrange(4)):
            model.some(dice.randrange(1, 8))
            time.sleep(dice.random() * 0.05)
        if turn % 3 == 0:
            noted[captured(model, process)] = model.expected()
            model.some(3)
            time.sleep(dice.random() * 0.1)
        process.kill()
        process.wait()
        keep("verify", "store", "--quiet", status=0 if os.path.exists("store/objects") else 2)
        model.some(2)
    process = start("--scan-s", "0")
    noted[captured(model, process)] = model.expected()
    stop(process)
    all_as_noted(noted)


def mapped_files_are_found(dice):
    """A mapping that stays open and is written without msync: no notification, and the time changes only at clean pages."""
    os.makedirs("data")
    content = bytearray(dice.randbytes(300000))
    with open("data/map", "wb") as f:
        f.write(content)
    process = start("--scan-s", "1")
    wait_for("the start", lambda: said("watching"), process)
    with open("data/map", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        for turn in range(4):
            if turn > 1:
                time.sleep(3.5)  # until a cache trusts the file, and no longer: in five seconds the kernel writes the page back
            at = 5000 + dice.randrange(100)  # of one page, which only a capture makes clean
            m[at] = content[at] = content[at] ^ 1
            last = [0]

            def is_there():
                if latest() == last[0]:
                    return False
                last[0] = latest()
                keep("restore", "store", str(last[0]), "back", "--force", "--quiet")
                return open("back/map", "rb").read() == bytes(content)

            wait_for("the store to the map", is_there, process)
    stop(process)


def a_file_that_never_rests_is_marked(dice):
    """It changes during every read: the version has it, says so, and the next one is exact."""
    os.makedirs("data")
    size = 24 << 20
    with open("data/busy", "wb") as f:
        f.write(dice.randbytes(1 << 20) * 24)
    with open("data/calm", "wb") as f:
        f.write(b"calm")
    keep("capture", "store", "data")
    writer = subprocess.Popen([sys.executable, "-c", "import os\nf = os.open('data/busy', os.O_RDWR)\n"
                               "while True: os.pwrite(f, os.urandom(8), int.from_bytes(os.urandom(4), 'little') %% %d)" % (size - 8)])
    try:
        before = os.stat("data/busy").st_mtime_ns
        wait_for("the writer", lambda: os.stat("data/busy").st_mtime_ns != before)
        out = keep("capture", "store", "data")
    finally:
        writer.kill()
        writer.wait()
    assert "busy changed during every read" in out, out
    marked = versions(1)[0]
    assert marked["torn"] == 1, marked
    assert "1 files changed" in keep("log", "store") and ": busy\n" in keep("log", "store") and marked["torn_files"] == ["busy"], marked
    assert restored(marked["version"])["calm"] == seen("data")["calm"]
    keep("capture", "store", "data")
    assert versions(1)[0]["torn"] == 0 and versions(1)[0]["version"] == marked["version"] + 1 and versions(1)[0]["torn_files"] == []
    assert not difference(seen("data"), restored("latest"))


def a_writer_at_full_speed(dice):
    """Files appear, disappear, grow and shrink while they are read: no capture fails, and the last one is exact."""
    os.makedirs("data")
    writer = subprocess.Popen([sys.executable, "-c", """
import os, random, shutil
dice = random.Random(%r)
os.chdir("data")
while True:
    name = "d%%d/f%%d" %% (dice.randrange(8), dice.randrange(20))
    what = dice.randrange(8)
    try:
        if what < 4:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open(name, "r+b" if what == 1 and os.path.exists(name) else "wb") as f: f.write(os.urandom(dice.randrange(100000)))
        elif what == 4: os.truncate(name, dice.randrange(1000))
        elif what == 5: os.rename(name, name + "x")
        elif what == 6: os.unlink(name); os.symlink("nowhere", name)
        elif dice.randrange(4) == 0: shutil.rmtree(os.path.dirname(name))
    except OSError: pass
""" % dice.random()])
    try:
        process = start("--quiet-ms", "1", "--hold-ms", "20", "--quiet")
        time.sleep(6)
    finally:
        writer.kill()
        writer.wait()
    stop(process)
    assert latest() > 3, "only %d versions:\n%s" % (latest(), open("log").read()[-1000:])
    assert not difference(seen("data"), restored("latest"))
    keep("verify", "store")


def what_is_unchanged_is_not_read(dice):
    os.makedirs("data/d")
    for i in range(50):
        with open("data/d/%d" % i, "wb") as f:
            f.write(dice.randbytes(1000))
        os.utime("data/d/%d" % i)
    time.sleep(2.2)  # a file is trusted when its time is two seconds old
    first = json.loads(keep("capture", "store", "data", "--json"))
    assert first["files_read"] == 50, first
    again = json.loads(keep("capture", "store", "data", "--json"))
    assert again["files_read"] == 0 and again["unchanged"], again
    with open("data/d/7", "ab") as f:
        f.write(b"x")
    again = json.loads(keep("capture", "store", "data", "--json"))
    assert again["files_read"] == 1 and not again["unchanged"], again


def only_what_changed_is_looked_at(dice):
    """New files, that no cache trusts yet, are not read again because of others."""
    os.makedirs("data/d/e")
    os.makedirs("data/f")
    for i in range(30):
        for name in ("data/d/%d", "data/d/e/%d", "data/f/%d"):
            with open(name % i, "wb") as f:
                f.write(dice.randbytes(5000))
    process = start("--scan-s", "0", "--exclude", "*.o")
    wait_for("the start", lambda: said("watching"), process)

    def change(what, files, read):
        before = latest()
        process.send_signal(signal.SIGSTOP)  # on a slow machine it would see half of an action of several steps
        what()
        process.send_signal(signal.SIGCONT)
        wait_for("the version", lambda: said("version %d at" % (before + 1)), process)
        line = next(l for l in the_log().splitlines() if "version %d at" % (before + 1) in l)
        assert ", %d file%s read" % (read, "s" * (read != 1)) in line, line
        assert not difference(files or seen("data"), restored(before + 1))

    def touch(name, content=b"more"):
        with open(name, "ab") as f:
            f.write(content)

    change(lambda: touch("data/d/e/7"), None, 1)
    change(lambda: touch("data/d/e/7", b"."), None, 1)
    change(lambda: touch("data/new"), None, 1)
    change(lambda: os.unlink("data/d/5"), None, 0)
    change(lambda: os.rename("data/d/6", "data/f/moved"), None, 1)
    change(lambda: shutil.rmtree("data/d/e"), None, 0)
    change(lambda: os.symlink("x", "data/f/a link"), None, 0)
    change(lambda: os.chmod("data/d/7", 0o600), None, 1)
    os.makedirs("made/a/b")
    touch("made/a/b/c")
    touch("made/a/x.o")
    change(lambda: os.rename("made", "data/made"), {**seen("data"), **{os.path.join("made", n) if n else "made": (*w[:3], os.path.join("made", n) if w[3] else "")
                                                       for n, w in seen("made").items() if n != "a/x.o"}}, 1)
    before = latest()
    touch("data/d/object.o")  # it is left out, but its directory has another time
    wait_for("the version", lambda: latest() == before + 1, process)
    assert "d/object.o" not in restored("latest")
    before = latest()
    stop(process)
    assert latest() == before, "the last capture found what no notification said: %r" % versions(2)


def a_version_has_all_that_came_before_it(dice):
    """The same for files that have not been quiet for long enough: no version has a file without an earlier change of another."""
    os.makedirs("data")
    process = start("--scan-s", "0", "--quiet-ms", "1500", "--hold-ms", "60000")
    wait_for("the start", lambda: said("watching"), process)
    for turn in range(3):
        with open("data/first", "w") as f:
            f.write("%d" % turn)
        time.sleep(0.9)
        with open("data/second", "w") as f:
            f.write("%d" % turn)
        state = seen("data")
        wait_for("the version", lambda: latest() == turn + 2, process)
        assert not difference(state, restored(turn + 2))
        time.sleep(2)
        assert latest() == turn + 2
    stop(process)


def owners_are_kept(dice):
    """Entries inherit the owner of their directory: when that changes, they must not."""
    if os.geteuid():
        raise Skip("only root can give files away")
    os.makedirs("data/d/e")
    for name in ("data/d/a", "data/d/e/b", "data/c"):
        open(name, "w").close()
    os.chown("data/d/e/b", 5, 6)

    def owners(path):
        return {os.path.join(where, n)[len(path):]: (os.lstat(os.path.join(where, n)).st_uid, os.lstat(os.path.join(where, n)).st_gid)
                for where, folders, files in os.walk(path) for n in folders + files + ["."]}

    process = start("--scan-s", "0")
    wait_for("the start", lambda: said("watching"), process)
    for name, user in (("data/d", 7), ("data/d/e", 8), ("data/d/a", 9), ("data", 10), ("data/d", 0)):
        os.chown(name, user, user)
        with open("data/d/e/b", "a") as f:  # at the same time, so that both are in one capture
            f.write("x")

        def is_there():
            return os.path.exists("back") and owners("back") == owners("data") if restored("latest") else False

        wait_for("the owners", is_there, process)
    before = latest()
    stop(process)
    assert latest() == before


def modes_and_owners_whatever_a_folder_gives(dice):
    """Files get the recorded mode and owner also where the system gives new files others: in a folder with setgid, or with an access
    control list for what is made in it. By root, which sets owners, and all in one directory as well as in many."""
    if os.geteuid() or sys.platform != "linux":
        raise Skip("only root can give files away")
    os.makedirs("data")
    for i in range(300):
        folder = "data/" + ("d%d/" % (i % 7) if i % 2 else "")
        os.makedirs(folder, exist_ok=True)
        name = "%sf%d" % (folder, i)
        with open(name, "wb") as f:
            f.write(dice.randbytes(dice.randrange(100)))
        os.chmod(name, dice.choice([0o644, 0o600, 0o755, 0o666, 0o444, 0o400, 0o777, 0, 0o4755, 0o1666]))
        if dice.randrange(4) == 0:
            os.chown(name, dice.choice([0, 5]), dice.choice([0, 6]))
    keep("capture", "store", "data")

    def seen_with_owners(path):
        return {name: (what, os.lstat(os.path.join(path, name)).st_uid, os.lstat(os.path.join(path, name)).st_gid, os.lstat(os.path.join(path, name)).st_mtime_ns)
                for name, what in seen(path).items()}

    for place, acl in (("plain", False), ("setgid", False), ("acl", True)):
        os.mkdir(place)
        if place == "setgid":
            os.chown(place, 0, 6)
            os.chmod(place, 0o2777)
        if acl:
            entries = [(1, 7, -1), (2, 7, 5), (4, 5, -1), (16, 5, -1), (32, 0, -1)]  # as linux/posix_acl_xattr.h has them
            value = (2).to_bytes(4, "little") + b"".join(tag.to_bytes(2, "little") + may.to_bytes(2, "little") + (who & 0xffffffff).to_bytes(4, "little")
                                                          for tag, may, who in entries)
            try:
                os.setxattr(place, "system.posix_acl_default", value)
            except OSError as e:
                raise Skip("the file system has no access control lists: %s" % e)
        for workers in ("1", "4"):
            keep("restore", "store", "latest", place + "/back", "--workers", workers, "--quiet", "--force")
            assert not difference(seen_with_owners("data"), seen_with_owners(place + "/back")), (place, difference(seen_with_owners("data"), seen_with_owners(place + "/back")))


def events_that_were_lost_lead_to_a_scan(dice):
    """dxkeep is stopped until the system's queue is full."""
    os.makedirs("data/d")
    process = start("--scan-s", "0")
    wait_for("the start", lambda: said("watching"), process)
    process.send_signal(signal.SIGSTOP)
    limit = int(open("/proc/sys/fs/inotify/max_queued_events").read())
    if limit > 40000:
        process.kill()
        raise Skip("the queue has room for %d events" % limit)
    for i in range(limit // 3 + 1000):
        os.close(os.open("data/d/%d" % (i % 3000), os.O_CREAT | os.O_WRONLY))
        os.utime("data/d/%d" % (i % 3000))
    with open("data/last", "w") as f:
        f.write("last")
    expected = seen("data")
    process.send_signal(signal.SIGCONT)
    wait_for("everything", lambda: latest() and not difference(expected, restored(latest())), process)
    stop(process)


def what_is_said_in_the_end(dice):
    """`run` says what it captured, on standard error; a rehearsal of `gc` that removes nothing says so. --quiet: neither."""
    os.makedirs("data")
    for quiet in ([], ["--quiet"]):
        done = subprocess.run([DXKEEP, "run", "store", "data", *quiet, "--", "sh", "-c", "echo out; echo %d >data/f" % len(quiet)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        found = versions()
        said = "dxkeep: data: %d versions captured; the latest, %d, has %d bytes and is consistent\n" % (len(found), len(found), found[0]["size"])
        assert (done.stdout, done.stderr.decode()) == (b"out\n", "" if quiet else said), (done, said)
        assert keep("gc", "store", "--keep", "last=99", "--dry-run", *quiet) == ("" if quiet else "nothing would be removed\n")
    assert "would be removed" in keep("gc", "store", "--keep", "last=1", "--dry-run")


def the_program_and_its_status(dice):
    """CL-2, W-71: The program is a child, which is captured while it runs; its status is passed on."""
    os.makedirs("data")
    keep("run", "store", "data", "--", "sh", "-c", "echo 1 >data/a; exit 7", status=7)
    assert restored("latest")["a"] == seen("data")["a"], "its end was not captured"
    keep("run", "store", "data", "--", "sh", "-c", "kill -9 $$", status=137)
    keep("run", "store", "data", "--", "sh", "-c", 'echo 2 >data/during; until "$0" cat store latest during; do sleep 0.1; done', DXKEEP, timeout=PATIENCE)
    out = keep("run", "store", "data", "--", "./nothing", status=127)
    assert "nothing" in out, out
    keep("run", "store", "data", "--", "data", status=127)
    keep("run", "store", "data", "--", "./data", status=126)
    keep("run", "store", "data", status=1)
    # SIGPIPE has its default again
    keep("run", "store", "data", "--", "sh", "-c", "{ while :; do echo y || exit 3; done; } | head -1; exit 0")
    assert keep("run", "store", "data", "--quiet", "--", "sh", "-c", 'echo "$@"', "sh", "--help", "-x").strip() == "--help -x"


def signals_are_passed_on(dice):
    """CL-2: To the program, whose status after them is dxkeep's; what it wrote then is captured."""
    os.makedirs("data")
    supervised = {name: ["--supervise"] * (at % 2 == dice.randrange(2)) for at, name in enumerate(("TERM", "HUP", "USR1", "INT"))}
    for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP"), (signal.SIGUSR1, "USR1"), (signal.SIGINT, "INT")):
        process = start(*supervised[name], command="run", program=("--", "sh", "-c", "trap 'echo %s >data/got; exit 9' %s; echo ready >data/r; "
                                                                   "while :; do sleep 0.05; done" % (name, name)))
        wait_for("the program", lambda: os.path.exists("data/r"), process)
        stop(process, number, 9)
        assert open("data/got").read().strip() == name
        assert restored("latest")["got"] == seen("data")["got"], "what it did last was not captured"
        os.unlink("data/r")


def every_signal_is_passed_on(dice):
    """Also rarely used ones; real-time ones as often as they were sent; with a supervisor, too."""
    os.makedirs("data")
    passes_every_signal_on()
    for left in ("got", "ready"):
        os.unlink(left)
    passes_every_signal_on("--supervise")


def passes_every_signal_on(*more):
    numbers = [getattr(signal, "SIG" + n) for n in ("ALRM", "CONT", "TSTP", "VTALRM", "PROF", "URG", "IO", "PWR", "WINCH", "USR2", "QUIT")]
    numbers += [signal.SIGRTMIN, signal.SIGRTMIN + 1, signal.SIGRTMAX]
    script = ("import signal, time\ngot = {}\ndef on(n, f): got[n] = got.get(n, 0) + 1; open('got', 'w').write(repr(got))\n"
              "for n in %r: signal.signal(n, on)\nopen('ready', 'w').close()\nwhile True: time.sleep(0.05)" % [int(n) for n in numbers])
    process = start(*more, command="run", program=("--", sys.executable, "-c", script))
    wait_for("the program", lambda: os.path.exists("ready"), process)

    def got(number):
        text = open("got").read() if os.path.exists("got") else ""
        return eval(text).get(int(number), 0) if text else 0

    for number in numbers:  # one by one: the kernel drops a pending SIGCONT when SIGTSTP comes
        process.send_signal(number)
        wait_for("signal %d" % number, lambda: got(number) == 1, process)
    for _ in range(3):
        process.send_signal(signal.SIGRTMIN)
        time.sleep(0.1)
    wait_for("all of them", lambda: got(signal.SIGRTMIN) == 4, process)
    stop(process, status=128 + signal.SIGTERM)


@contextlib.contextmanager
def a_busy_machine(shim):
    """Processes start and end whenever dxkeep lists those of the machine (dxkeep_busy.c). Yields its environment, and their number."""
    place, started, running = os.path.abspath("busy"), [], []
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen()

    def serve():
        while True:
            client, _ = server.accept()
            with client:
                what = client.recv(1)
                if what == b"s":
                    running.append(subprocess.Popen(["sleep", "1000"]))
                    started.append(running[-1].pid)
                while what != b"s" and running:
                    running[-1].kill()
                    running.pop().wait()
                client.send(what or b"-")
                if not what:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield {**preloaded(shim), "DX_BUSY": place}, started
    finally:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(place)
            end.shutdown(socket.SHUT_WR)
            end.recv(1)
        thread.join()
        server.close()
        os.unlink(place)


def the_last_version_on_a_busy_machine(dice):
    """A program that has ended, and all that it has left running, writes no more, whatever else starts and ends on the machine. A file with
    two names makes a version torn if a process may write to it."""
    if sys.platform != "linux":
        raise Skip("needs /proc")
    shim = build_shim("busy.so", "tests/programs/dxkeep_busy.c")
    os.makedirs("data")
    open("data/f", "w").close()
    os.link("data/f", "data/g")
    program = "echo %s >data/f; (setsid sh -c 'sleep 0.3; echo %s >data/f' &); sleep %s"
    with a_busy_machine(shim) as (environment, started):
        hook = "--after-capture", "(setsid sleep 0.1 &)"  # what it leaves has ended before the program does
        for turn, (more, seconds) in enumerate((((), 0.6), (("--supervise",), 0.6), (hook, 3))):
            before, text = len(started), "turn %d" % turn
            keep("run", "store", "data", *more, "--quiet", "--", "env", "-u", "LD_PRELOAD", "sh", "-c", program % ("x", text, seconds), env=environment)
            assert len(started) > before, "dxkeep has not looked at the processes"
            last = versions(1)[0]
            assert last["consistent"] and keep("cat", "store", "latest", "f").strip() == text, (more, last, keep("log", "store"))
        left = "touch data/new; setsid sleep 1000 >/dev/null 2>&1 & echo $! >left"
        for more in ((), ("--supervise",)):
            keep("run", "store", "data", *more, "--quiet", "--", "env", "-u", "LD_PRELOAD", "sh", "-c", left, env=environment)
            assert state_of(int(open("left").read())) and versions(1)[0]["torn_reasons"] == ["hard-links"], "a process that is left was missed: %r" % versions(1)
            os.kill(int(open("left").read()), signal.SIGKILL)
            os.unlink("data/new")
        said_by_record = keep("record", "store", "--dir", "data", "--json", "--", "env", "-u", "LD_PRELOAD", "sh", "-c", "echo y >data/f", env=environment)
        assert json.loads(said_by_record)["consistent"], said_by_record


def state_of(pid):
    """The letter shown by ps; "": there is no such process, or it waits to be reaped."""
    try:
        letter = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
    return "" if letter == "Z" else letter


def hooks(dice):
    """In their order, with the version; a hook that fails or hangs makes the version torn, and a hanging one is killed with its
    children."""
    os.makedirs("data")
    program = ("--", "sh", "-c", "echo 1 >data/a; sleep 0.1")
    keep("run", "store", "data", "--before-capture", "echo before >>order", "--after-capture", "echo $DXKEEP_VERSION $DXKEEP_CONSISTENT >>order", *program)
    lines = open("order").read().split("\n")[:-1]
    found = {v["version"]: v["consistent"] for v in versions()}
    assert len(lines) >= 4 and len(lines) % 2 == 0 and set(lines[::2]) == {"before"}, lines
    after = [tuple(map(int, line.split())) for line in lines[1::2]]
    assert after[0][0] == 1 and after[-1] == (latest(), 1) and all(found[v] == bool(c) for v, c in after), (after, found)
    for command, why, most in (("exit 3", "ended with status 3", PATIENCE), ("kill -9 $$", "killed by signal 9", PATIENCE),
                               ("sleep 1000 & echo $! >pid; sleep 1000", "did not end within 1 s", 30)):
        for left in ("store", "data"):
            shutil.rmtree(left)
        os.makedirs("data")
        open("data/a", "w").close()
        began = time.monotonic()
        out = keep("run", "store", "data", "--before-capture", command, "--hook-max-s", "1", "--after-capture", "echo $DXKEEP_VERSION >after", "--", "true")
        assert why in out, out
        assert time.monotonic() - began < most, "it was waited for"
        assert not any(v["consistent"] for v in versions()), "consistent without its hook"
        assert open("after").read() == "1\n" and not difference(seen("data"), restored("latest"))
    wait_for("the end of what it has started", lambda: not state_of(int(open("pid").read())))
    assert "ended with status 4" in keep("capture", "store", "data", "--after-capture", "exit 4")
    written("data/more", b"x")
    assert "; torn: no process was stopped" in keep("capture", "store", "data")


def a_killed_dxkeep_ends_its_program(dice):
    """With all its descendants: children, orphans, daemons in sessions of their own, processes of another user, stopped ones. The same
    if the guard is killed instead; then dxkeep captures once more, and ends as if the program had been killed."""
    other = "setpriv --reuid 65534 --regid 65534 --clear-groups " if not os.geteuid() and shutil.which("setpriv") else ""
    ways = {"child": "sleep 1000 & echo $! >>pids", "orphan": "(sleep 1000 & echo $! >>pids)", "daemon": "setsid sh -c 'sleep 1000 & echo $! >>pids; exit' &",
            "other user": other + "sleep 1000 & echo $! >>pids", "stopped": "sleep 1000 & echo $! >>pids; kill -STOP $!",
            "deep": "sh -c 'trap : TERM HUP INT; sh -c \"sleep 1000 & echo \\$! >>pids; wait\" & echo $! >>pids; wait' & echo $! >>pids"}
    for victim in ("dxkeep", "dxkeep", "guard"):
        shutil.rmtree("data", ignore_errors=True)
        os.makedirs("data")
        open("pids", "w").close()
        some = dice.sample(sorted(ways), dice.randrange(2, len(ways) + 1))
        script = "\n".join(ways[way] for way in some) + "\necho $$ >>pids; echo x >data/x; exec " + dice.choice(["", other]) + "sleep 1000"
        process = start(command="run", program=("--", "sh", "-c", script))
        count = len(some) + 1 + 2 * ("deep" in some)
        wait_for("%s" % some, lambda: len(open("pids").read().split()) == count, process)
        pids = [int(pid) for pid in open("pids").read().split()]
        assert all(state_of(pid) for pid in pids), some
        if victim == "guard":
            guard = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if parent_of(int(pid)) == process.pid]
            assert len(guard) == 1, guard
            os.kill(guard[0], signal.SIGKILL)
            assert process.wait(PATIENCE) == 128 + signal.SIGKILL, process.returncode
            assert restored("latest")["x"] == seen("data")["x"]
        else:
            process.kill()
            process.wait()
        for pid in pids:
            wait_for("the end of %d of %r (%s)" % (pid, pids, some), lambda: not state_of(pid))


def parent_of(pid):
    try:
        return int(open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def children_of(pid):
    return [int(other) for other in filter(str.isdigit, os.listdir("/proc")) if parent_of(int(other)) == pid and state_of(int(other))]


def the_dxkeep_below(process, program):
    """The one that captures, once it is there."""
    found = []

    def is_there():
        found[:] = [pid for pid in children_of(process.pid) if pid != program]
        return len(found) == 1

    wait_for("a dxkeep below the supervisor", is_there, process)
    return found[0]


def a_command_is_recorded(dice):
    """Two versions, before and after, whose difference is what the command did, by a model; its status, and its signals; processes that
    are left; a store in the directory, and a command that cannot be started."""
    model = Model("data", dice)
    model.some(30, mapped=False, linked=False)

    def record(*command, status=0, more=()):
        done = subprocess.run([DXKEEP, "record", "store", "--dir", "data", "--json", *more, "--", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == status, (done.returncode, done.stderr)
        lines = done.stdout.decode().splitlines()
        return json.loads(lines[-1]), lines[:-1]

    for turn in range(ROUNDS):
        before = model.expected()
        while turn and not difference(before, model.expected()):
            model.some(dice.randrange(1, 8), mapped=False, linked=False)
        after = model.expected()
        shutil.rmtree("next", ignore_errors=True)
        if turn:
            subprocess.run(["cp", "-a", "data", "next"], check=True)
            keep("restore", "store", str(found["after"]), "data", "--force", "--quiet", "--name", "record")
            assert not difference(before, seen("data"))
        status = dice.choice([0, 0, 3])
        found, said_before = record("sh", "-c", "echo out; [ ! -e next ] || { rm -rf data/* data/.[!.]*; cp -a next/. data; }; exit %d" % status, status=status)
        assert said_before == ["out"] and found["after"] == found["before"] + 1 and found["consistent"] and found["status"] == status, found
        for version, state in (("before", before), ("after", after)):
            keep("restore", "store", str(found[version]), "back", "--force", "--quiet", "--name", "record")
            assert not difference(state, seen("back")), difference(state, seen("back"))
        assert found["added"] == len(set(after) - set(before)) and found["removed"] == len(set(before) - set(after)), (found, difference(before, after))
        changed = [n for n in set(before) & set(after) if before[n][:3] != after[n][:3]]
        assert found["changed"] == len(changed), (found, changed)
        files = [n for n in after if stat.S_ISREG(after[n][0]) and (n not in before or before[n][0] != after[n][0] or before[n][2] != after[n][2])]
        assert found["bytes"] == sum(os.path.getsize(os.path.join("data", n)) for n in files), (found, files)
    assert record("true")[0]["added"] == 0
    assert record("sh", "-c", "kill -9 $$", status=137)[0]["status"] == 137
    assert record("./nothing", status=127)[0]["status"] == 127
    left = record("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    assert not left[0]["consistent"] and state_of(int(left[1][0])), left
    os.kill(int(left[1][0]), signal.SIGKILL)
    assert "needs a command" in keep("record", "store", "--dir", "data", status=1)
    assert "keep the store outside" in keep("record", "data/store", "--dir", "data", "--", "touch", "ran", status=6)
    assert "no such directory" in keep("record", "store", "--dir", "none", "--", "touch", "ran", status=2) and not os.path.exists("ran")
    assert "1 added, 0 changed, 0 removed, 2 bytes" in keep("record", "store", "--dir", "data", "--name", "own", "--", "sh", "-c", "echo 1 >data/own")
    assert keep("cat", "store", "2", "own", "--name", "own") == "1\n"
    assert keep("record", "store", "--dir", "data", "--quiet", "--", "true") == ""
    process = subprocess.Popen([DXKEEP, "record", "store", "--dir", "data", "--", "sh", "-c", "trap 'exit 4' TERM; touch ready; while :; do sleep 0.05; done"])
    wait_for("the command", lambda: os.path.exists("ready"), process)
    assert "another process" in keep("capture", "store", "data", status=6)
    stop(process, status=4)
    for turn in range(20):  # sometimes before it has said that the command runs
        guard_killed = record("sh", "-c", "kill -9 $PPID; sleep 1000 & echo $! >&2; sleep 1000", status=137)
        assert guard_killed[0]["consistent"] and guard_killed[0]["status"] == 137, guard_killed
    assert "is sound" in keep("verify", "store")


def changes_are_replayed(dice):
    """Onto a copy of the directory as it was before, with further files: it becomes as after, or, where something is not as before, is not
    changed. Killed before each call that changes files: the copy is as before, or the same command completes it."""
    shim = build_shim("killed.so", "tests/programs/dxkeep_killed.c")
    model = Model("data", dice)
    model.some(30, mapped=False)

    def fresh():
        shutil.rmtree("copy", ignore_errors=True)
        subprocess.run(["cp", "-a", "old", "copy"], check=True)
        with open("copy/further", "w") as f:
            f.write("not recorded")

    def copied():
        found = seen("copy")
        return {name: found[name] for name in found if name not in ("", "further") and not name.startswith(".dxkeep-replay")}

    def at_rest(state):
        return {name: state[name] for name in state if name}

    ends = [0, 0]  # kills before and after all was staged
    for turn in range(ROUNDS):
        shutil.rmtree("old", ignore_errors=True)
        subprocess.run(["cp", "-a", "data", "old"], check=True)
        before = at_rest(model.expected())
        keep("capture", "store", "data", "--name", "record", "--quiet")
        model.some(dice.randrange(1, 20), mapped=False)
        after = at_rest(model.expected())
        keep("capture", "store", "data", "--name", "record", "--quiet")
        version = versions_of("record")[0]
        fresh()
        if before == after:
            continue
        keep("replay", "store", "latest", "copy", "--quiet")
        assert not difference(after, copied()), difference(after, copied())
        assert open("copy/further").read() == "not recorded" and not os.path.exists("copy/.dxkeep-replay")
        keep("replay", "store", "latest", "copy", status=6)
        assert not difference(after, copied())
        # something is not as it was
        fresh()
        changed = sorted(n for n in set(before) | set(after) if before.get(n) != after.get(n))
        name = "copy/" + dice.choice(changed)
        if os.path.isdir(name) and not os.path.islink(name):
            os.chmod(name, 0o501)
        elif os.path.lexists(name):
            os.unlink(name)
        elif os.path.isdir(os.path.dirname(name)):
            os.symlink("something", name)
        state = copied()
        if state != before:
            assert "not as" in keep("replay", "store", "latest", "copy", status=6), name
            assert not difference(state, copied()) and not os.path.exists("copy/.dxkeep-replay"), name
        # a kill
        at, more = 0, True
        while more and ends[1] < 40:
            fresh()
            at += dice.randrange(1, 6)
            done = subprocess.run([DXKEEP, "replay", "store", str(version), "copy", "--quiet"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, env={**preloaded(shim), "DX_KILL_AT": str(at)})
            assert done.returncode in (0, -signal.SIGKILL), done.returncode
            more = done.returncode != 0
            if more:
                ends[os.path.exists("copy/.dxkeep-replay/ready")] += 1
            if more and not os.path.exists("copy/.dxkeep-replay/ready"):
                assert copied() in (before, after), difference(before, copied())
            for one in os.listdir("copy/.dxkeep-replay") if more and os.path.exists("copy/.dxkeep-replay") else ():
                if one.isdigit() and dice.randrange(3) == 0:  # what is staged is not what it was
                    os.unlink("copy/.dxkeep-replay/" + one)
                    if dice.randrange(2):
                        open("copy/.dxkeep-replay/" + one, "w").write("something else")
            if copied() != after:
                keep("replay", "store", str(version), "copy", "--quiet")
            assert not difference(after, copied()), "killed at call %d: %s" % (at, difference(after, copied()))
    assert min(ends) > 5, ends
    for kind in ("link", "folder", "file"):  # something else has the name of the staging folder
        fresh()
        os.makedirs("victim/mine", exist_ok=True)
        open("victim/0", "w").write("precious")
        if kind == "link":
            os.symlink("../victim", "copy/.dxkeep-replay")
        elif kind == "folder":
            shutil.copytree("victim", "copy/.dxkeep-replay")
        else:
            open("copy/.dxkeep-replay", "w").write("precious")
        state, victim = seen("copy"), seen("victim")
        assert "no replay of this user has made it" in keep("replay", "store", "latest", "copy", status=6)
        assert not difference(state, seen("copy")) and not difference(victim, seen("victim")), kind
    assert "no such directory" in keep("replay", "store", "latest", "none", status=2)
    assert "which was before version 1" in keep("replay", "store", "1", "copy", status=2)
    assert "is sound" in keep("verify", "store")


def versions_of(name):
    return [json.loads(line)["version"] for line in keep("log", "store", "--json", "--name", name).splitlines()]


def a_killed_dxkeep_is_started_again(dice):
    """--supervise: killed ten times, half of them while the program is stopped. The program runs on, versions continue, those that are
    called consistent are of one instant, signals arrive, and so does the program's status."""
    for name in ("d0", "d1"):
        os.makedirs("data/" + name)
    script = "import signal, sys\nopen('pid.new', 'w').write('%%d' %% __import__('os').getpid())\n__import__('os').rename('pid.new', 'pid')\n" \
             "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n%s" % PAIR_WRITER
    process = start("--supervise", "--quiet-ms", "1", "--hold-ms", "5", "--pause-max-ms", "5000", command="run",
                    program=("--", sys.executable, "-c", script))
    wait_for("the program", lambda: os.path.exists("pid"), process)
    program = int(open("pid").read())
    for turn in range(10):
        worker, before = the_dxkeep_below(process, program), latest()
        wait_for("more versions", lambda: latest() >= before + 2, process)
        end = time.monotonic() + PATIENCE
        while turn % 2 and state_of(program) != "T" and time.monotonic() < end:
            pass
        os.kill(worker, signal.SIGKILL)
        wait_for("its end", lambda: worker not in children_of(process.pid), process)
        steps = os.stat("data").st_mtime_ns  # the writer renames files in it
        wait_for("a writer that runs on", lambda: os.stat("data").st_mtime_ns != steps, process)
    last = latest()
    wait_for("versions after the last kill", lambda: sum(v["consistent"] and v["version"] > last for v in versions()) >= 2, process)
    wait_for("five of one instant", lambda: sum(v["consistent"] for v in versions()) >= 5, process)  # some were killed while they were made
    assert parent_of(program) == process.pid and open("log").read().count("dxkeep was killed by signal 9: it is started again, and the program runs on") == 10
    stop(process, signal.SIGTERM, 7)
    found = versions()
    good = [v["version"] for v in found if v["consistent"]]
    assert len(good) >= 5 and found[0]["consistent"], (good, found[:3])
    bad = [v for v in dice.sample(good, min(len(good), 40)) if not of_one_instant(v)]
    assert not bad, "versions %r are called consistent and are not" % bad
    assert not difference(seen("data"), restored("latest")), "the last state was not captured"
    assert "is sound" in keep("verify", "store")


def a_supervisor_and_the_ends_of_both(dice):
    """Killed during the last capture: the next one makes it. Killed before the program: it is started once. What cannot be captured again and
    again is given up, and the program is ended. A killed supervisor ends the program. The status of one that cannot be started."""
    hook = ("--supervise", "--before-capture", "test ! -e slow || sleep 1000", "--hook-max-s", "1000")
    assert "nothing" in keep("run", "store", "data", "--supervise", "--", "./nothing", status=127)
    keep("run", "store", "data", "--supervise", "--", "sh", "-c", "kill -9 $$", status=137)
    keep("run", "store", "data", "--supervise", "--", "sh", "-c", "exit 9", status=9)
    open("slow", "w").close()
    process = start(*hook, command="run", program=("--", "sh", "-c", "echo $$ >>pids; echo x >data/x; sleep 0.2; exit 6"))
    killed = 0
    for turn in range(2):
        wait_for("the first capture", lambda: the_dxkeep_below(process, killed) and len(children_of(the_dxkeep_below(process, killed))) == 1, process)
        assert not os.path.exists("pids"), "the program was started before the first capture"
        if turn:
            os.unlink("slow")
        killed = the_dxkeep_below(process, killed)
        os.kill(killed, signal.SIGKILL)
    assert process.wait(PATIENCE) == 6, process.returncode
    assert open("pids").read().count("\n") == 1 and "x" in restored("latest"), "the program was not started once"
    os.unlink("pids")
    process = start(*hook, command="run", program=("--", "sh", "-c", "echo $$ >>pids; touch slow; echo x >data/x; exit 6"))
    wait_for("the end of the program", lambda: os.path.exists("pids") and not state_of(int(open("pids").read())), process)
    os.kill(the_dxkeep_below(process, 0), signal.SIGKILL)
    os.unlink("slow")
    assert process.wait(PATIENCE) == 6, process.returncode
    assert open("pids").read().count("\n") == 1 and "x" in restored("latest"), "the last capture is missing, or the program was started again"
    for victim in ("supervisor", "dxkeep"):
        for left in ("pids", "slow"):
            if os.path.exists(left):
                os.unlink(left)
        leaks = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")} # they are looked for by a child, which would be killed
        process = start(*hook, command="run", program=("--", "sh", "-c", "echo $$ >pids; sleep 0.2; touch slow; echo y >data/x; exec sleep 1000"), env=leaks)
        wait_for("the program", lambda: os.path.exists("slow"), process)
        program = int(open("pids").read())
        if victim == "supervisor":
            worker = the_dxkeep_below(process, program)
            os.unlink("slow")
            process.kill()
            process.wait()
            wait_for("the end of the program", lambda: not state_of(program))
            wait_for("the end of dxkeep", lambda: not state_of(worker))
            continue
        killed, end = 0, time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            for pid in children_of(process.pid):
                if pid != program:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.05)
        assert process.wait(PATIENCE) == 5 and killed >= 10 and not state_of(program), (process.returncode, killed, the_log())
        assert said("dxkeep ended 10 times in a row before it had captured anything: the program is ended"), the_log()


def what_is_missing_is_made(dice):
    """Neither the store nor the directory exists."""
    keep("run", "store", "data", "--", "sh", "-c", "echo 1 >data/a")
    assert restored("latest")["a"] == seen("data")["a"]
    shutil.rmtree("data")
    shutil.rmtree("store")
    process = start()
    wait_for("the start", lambda: said("watching"), process)
    assert os.path.isdir("data")
    stop(process)
    keep("run", "store", "no/data", "--", "true", status=2)
    shutil.rmtree("store")
    assert "No such file" in keep("run", "store", "no/data", "--", "true", status=2)


def the_time_of_a_version_is_that_of_its_content(dice):
    """It contains whatever was acknowledged before it, and nothing from after the end of the capture."""
    os.makedirs("data")
    with open("data/large", "wb") as f:
        f.write(dice.randbytes(64 << 20))  # the commit comes long after the first read
    before = time.time_ns()
    keep("capture", "store", "data")
    taken = versions(1)[0]["time_ns"]
    assert before <= taken < before + (time.time_ns() - before) // 3, "the time is that of the commit"


def the_last_capture_is_in_a_hurry(dice):
    """With no time left chunks are stored whole; otherwise as deltas, in a fraction of their size."""
    grown = []
    content = bytearray(dice.randbytes(4 << 20))
    for grace in ("0", "60"):
        shutil.rmtree("data", ignore_errors=True)
        shutil.rmtree("store", ignore_errors=True)
        os.makedirs("data")
        with open("data/f", "wb") as f:
            f.write(content)
        script = ("f = open('data/f', 'r+b')\nfor at in range(0, 4 << 20, 20000):\n f.seek(at)\n f.write(b'changed')")
        before = keep("run", "store", "data", "--grace", grace, "--quiet-ms", "100000", "--hold-ms", "100000", "--quiet", "--", sys.executable, "-c", script)
        assert not before, before
        grown.append(os.path.getsize("store/objects"))
        assert not difference(seen("data"), restored("latest")) and latest() == 2
    assert grown[0] > 8000000 and grown[1] < 6 << 20, "with and without time the store has %r bytes" % grown


def as_the_first_process(dice):
    """In a process namespace of its own: orphans become children of dxkeep, and are reaped."""
    if os.geteuid() or subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("no process namespace with a /proc of its own, as in a chroot")
    os.makedirs("data")
    script = ("for i in 1 2 3 4 5; do (sleep 0.2 & ); done; sleep 1; "
              "for f in /proc/[0-9]*/stat; do read -r pid name state rest <$f && echo $state; done >data/states; exit 4")
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", DXKEEP, "run", "store", "data", "--", "sh", "-c", script])
    assert done.returncode == 4, done.returncode
    assert "Z" not in open("data/states").read().split(), open("data/states").read()


def a_missing_directory_is_restored(dice):
    model = Model("data", dice)
    model.some(30)
    keep("capture", "store", "data")
    for clear in (lambda: shutil.rmtree("data"), lambda: (shutil.rmtree("data"), os.makedirs("data"))):
        clear()
        keep("run", "store", "data", "--", "true")
        assert not difference(model.expected(), seen("data"))
    assert latest() == 1, "what was restored is another version"
    shutil.rmtree("data")
    os.makedirs("data")
    keep("run", "store", "data", "--no-restore", "--", "true")
    assert os.listdir("data") == [] and latest() == 2
    os.makedirs("other/d")
    keep("run", "store", "other", "--", "true")  # it is not empty: it is captured as is
    assert os.listdir("other") == ["d"] and latest() == 3


@contextlib.contextmanager
def mounted(path):
    """A file system of its own at path, which only this process and its children see."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.makedirs(path, exist_ok=True)
    private = sys.platform == "linux" and os.geteuid() == 0 and libc.unshare(0x20000) == 0  # CLONE_NEWNS
    if not private or subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL).returncode or \
            subprocess.run(["mount", "-t", "tmpfs", "test", path], stderr=subprocess.DEVNULL).returncode:
        raise Skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path])


def clear(path):
    for name in os.listdir(path):
        full = os.path.join(path, name)
        shutil.rmtree(full) if os.path.isdir(full) and not os.path.islink(full) else os.unlink(full)


def a_mount_point_is_restored(dice):
    """It cannot be renamed. Its own time, mode and lost+found belong to it; a mount below it makes the restore fail as a whole."""
    with mounted("data"):
        model = Model("data", dice)
        model.some(30)
        os.chmod("data", 0o750)
        keep("capture", "store", "data")
        expected = seen("data")
        clear("data")
        os.chmod("data", 0o700)
        keep("run", "store", "data", "--", "true")
        assert not difference(expected, seen("data")), difference(expected, seen("data"))
        assert latest() == 1, "what was restored is another version"
        clear("data")
        os.makedirs("data/lost+found")  # as on a new volume
        keep("run", "store", "data", "--", "true")
        assert not difference({**expected, "lost+found": seen("data")["lost+found"]}, seen("data"))
        os.rmdir("data/lost+found")
        os.makedirs("data/inner")
        with open("data/new", "w") as f:
            f.write("stays")
        subprocess.run(["mount", "-t", "tmpfs", "test", "data/inner"], check=True)
        before = seen("data")
        assert "cannot be moved" in keep("restore", "store", "1", "data", "--force", status=5)
        assert not difference(before, seen("data")), difference(before, seen("data"))
        subprocess.run(["umount", "data/inner"], check=True)
        keep("restore", "store", "1", "data", "--force")
        assert not difference(expected, seen("data"))


def a_mount_point_whatever_kills_the_restore(dice):
    """Killed before each call that changes files, and the recovery at one of its own: afterwards DIR is entirely the old state or
    the restored one, and the journal is gone."""
    shim = build_shim("killed.so", "tests/programs/dxkeep_killed.c")

    def fill(text):
        clear("data")
        os.makedirs("data/d/e")
        for name in ("same", "d/f", "d/e/g", text):
            with open("data/" + name, "w") as f:
                f.write(text * 100)
        os.symlink(text, "data/link")

    def killed(at, *arguments):
        done = subprocess.run([DXKEEP, *arguments, "--quiet", "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**preloaded(shim), "DX_KILL_AT": str(at)})
        assert done.returncode in (0, -signal.SIGKILL), "%d: %s" % (done.returncode, done.stdout.decode(errors="replace"))
        return done.returncode != 0

    with mounted("data"):
        fill("new")
        keep("capture", "store", "data")
        new = seen("data")
        fill("old")
        old = seen("data")
        at, ends = 0, [0, 0]
        more = True
        while more:
            at += 1
            fill("old")
            os.utime("data")
            more = killed(at, "restore", "store", "1", "data", "--force")
            if more:
                killed(dice.randrange(1, 12), "capture", "other", "data")
                keep("capture", "other", "data", "--quiet")
            found = seen("data")
            assert not difference(found, new) or more and not difference(found, old), "killed at call %d:\n%s" % (at, difference(found, new))
            ends[found == new] += 1
        assert at > 30 and min(ends) > 5, "%d calls, %r" % (at, ends)


def a_capture_killed_at_any_call(dice):
    """Killed before each call that changes files: a version that exists is consistent, or has its reasons and no others'."""
    shim = build_shim("killed.so", "tests/programs/dxkeep_killed.c")
    os.makedirs("data")
    at, found, more = 0, [], True
    while more:
        at += 1
        written("data/f", dice.randbytes(100))
        hook = ("--before-capture", "false") if at % 3 == 0 else ()
        done = subprocess.run([DXKEEP, "capture", "store", "data", "--quiet", *hook], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**preloaded(shim), "DX_KILL_AT": str(at)})
        assert done.returncode in (0, 1, -signal.SIGKILL), "%d: %s" % (done.returncode, done.stdout.decode(errors="replace"))
        more = done.returncode < 0
        old, found = len(found), versions() if os.path.exists("store/objects") else []
        expected = [*(["hook-failed"] if hook else []), "not-stopped"]
        for v in found[:len(found) - old]:
            assert sorted(v["torn_reasons"]) == expected and not v["consistent"], "killed at call %d: %r, expected %r" % (at, v, expected)
    assert at > 15 and len(found) > 3, "%d calls, %d versions" % (at, len(found))


def a_directory_larger_than_it_may_be_is_not_restored(dice):
    os.makedirs("data/d")
    for i in range(9):
        with open("data/d/%d" % i, "w") as f:
            f.write("x" * 1000)
    keep("capture", "store", "data")
    for limit, says in (("--entries-max=9", "10 entries, more than --entries-max 9"), ("--size-max=8999", "more than --size-max 8999")):
        assert says in keep("restore", "store", "latest", "back", *limit.split("="), status=6)
        assert not os.path.exists("back"), "it was made"
    keep("restore", "store", "latest", "back", "--entries-max", "10", "--size-max", "100000", "--quiet")
    assert not difference(seen("data"), seen("back"))


def moments(dice):
    os.makedirs("data")
    times = []
    for i in range(4):
        with open("data/f", "w") as f:
            f.write("%d" % i)
        keep("capture", "store", "data")
        times.append(versions(1)[0]["time_ns"])
        time.sleep(1.1)

    def at(moment):
        keep("restore", "store", moment, "back", "--force")
        return open("back/f").read()

    def text(ns, digits):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ns // 10**9)) + (".%09d" % (ns % 10**9))[:digits + 1] * bool(digits)

    for i, ns in enumerate(times):
        assert at(str(i + 1)) == "%d" % i
        assert at(text(ns, 0)) == "%d" % i, "a second has all that is in it"
        assert at(text(ns, 3)) == "%d" % i and at(text(ns, 9)) == "%d" % i
        assert at(text(ns, 9).replace(" ", "T") + "Z") == "%d" % i
        if i:
            assert at(text(ns - 1, 9)) == "%d" % (i - 1)
    assert at("latest") == "3" and at("0s") == "3" and at("1s") == "3"
    printed = [" ".join(line.split()[1:3]) for line in keep("log", "store").splitlines()]
    assert [at(p) for p in printed] == ["3", "2", "1", "0"], "what log prints is a moment"
    for i, ns in enumerate(times):  # other zones, and seconds since 1970
        for minutes in (0, 60, -570, 840, -720):
            zone = "%s%02d:%02d" % ("-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60)
            for one in (zone, zone.replace(":", "")):
                assert at(text(ns + minutes * 60 * 10**9, 9) + one) == "%d" % i, one
        assert at("@%d.%09d" % divmod(ns, 10**9)) == "%d" % i
        assert at("@%d" % (ns // 10**9)) == "%d" % i
    if times[0] // 10**9 % 86400 < 86000:  # else some may be of the next day
        assert at(text(times[3], 0)[:10]) == "3", "a day includes all its hours"
        assert at(text(times[3], 0)[:16]) == "3" and at(text(times[3], 0)[:16] + "Z") == "3", "a minute includes its seconds"
    for later in (text(time.time_ns() + 3 * 10**9, 9), text(time.time_ns() + 86400 * 10**9, 0), "@7289654399", "2200-12-31",
                  text(time.time_ns(), 0) + "-01:00"):
        assert "has not come yet" in keep("restore", "store", later, "back", "--force", status=1), later
    for wrong in ("", "yesterday", "2026-13-01 00:00:00", "2026-02-29", "2026-04-31 10:00", "2026-01-01 1:00", "2026-01-01 00:00+1", "2026-01-01 00:00+15:00",
                  "2026-01-01 00:00:00+01:00Z", "@", "@1.x", "@-1", "@7289654400", "@9999999999", "@99999999999", "5x", "-1", "1.5", "2026-01-01 00:00:00 x"):
        assert "is not a moment" in keep("restore", "store", "--force", "--", wrong, "back", status=1), wrong
    for missing in ("5", "2h", "1w", "99999999w", "2024-02-29", "1970-01-01 00:00+14:00", "1999-01-01 00:00:00", "99999999999"):
        assert "'dxkeep log store'" in keep("restore", "store", missing, "back", "--force", status=2), missing


def entries_and_files_of_a_version(dice):
    """ls and cat against the model, at each of several versions; and every wrong path has its own error."""
    model, noted = Model("data", dice), {}
    for _ in range(4):
        model.some(25)
        keep("capture", "store", "data")
        noted[latest()] = {name: (stat.S_IMODE(os.lstat(model.real(name)).st_mode), bytes(e.content) if isinstance(e, File) else e)
                           for name, e in model.entries.items() if name}
    for version, entries in noted.items():
        listed = {e["path"]: e for e in map(json.loads, keep("ls", "store", str(version), "--recursive", "--json").splitlines())}
        assert set(listed) == set(entries), set(listed) ^ set(entries)
        for name, (mode, what) in entries.items():
            kind = "directory" if isinstance(what, int) else "link" if name in listed and listed[name]["type"] == "link" else "file"
            assert listed[name]["type"] == kind, (name, listed[name])
            if kind == "directory":
                inside = keep("ls", "store", str(version), name + "/", "--json").splitlines()
                assert {json.loads(line)["path"] for line in inside} == {n for n in entries if os.path.dirname(n) == name}
                assert "is a directory; 'dxkeep ls' lists it" in keep("cat", "store", str(version), name, status=1)
            elif kind == "link":
                assert listed[name]["target"] == what.decode()
                assert "symbolic link" in keep("cat", "store", str(version), name, status=1)
            else:
                assert listed[name]["size"] == len(what) and listed[name]["mode"] == "%04o" % mode, listed[name]
                done = subprocess.run([DXKEEP, "cat", "store", str(version), name], stdout=subprocess.PIPE)
                assert done.returncode == 0 and done.stdout == what, (name, done.returncode, len(done.stdout))
    for command in ("ls", "cat"):
        assert "has no 'nothing'; 'dxkeep ls store 1'" in keep(command, "store", "1", "nothing", status=2)
        assert "not a path in a tree" in keep(command, "store", "1", "../x", status=1)
        assert "has no version 99" in keep(command, "store", "99", "a", status=2)
        assert "is not a moment" in keep(command, "store", "never", "a", status=1)
    keep("cat", "store", "1", status=1)


def entries_by_path(path):
    """{path: (kind, mode, owner, size, content)} of a real directory, as diff compares them."""
    found = {}
    for name, (kind, mode, what, _) in seen(path).items():
        info = os.lstat(os.path.join(path, name))
        found[name or "."] = (kind, mode, (info.st_uid, info.st_gid), info.st_size if kind != stat.S_IFDIR else 0, what)
    return found


def differences_of_two_versions(dice):
    """diff against a comparison of real copies of both, in both directions, while a daemon commits."""
    model, copies = Model("data", dice), {}
    for _ in range(5):
        model.some(20, linked=False)
        files = [n for n in model.of(File)]
        if files and os.geteuid() == 0:
            os.chown(model.real(dice.choice(files + model.of(int))), dice.randrange(1, 9), dice.randrange(1, 9), follow_symlinks=False)
        keep("capture", "store", "data")
        copies.setdefault(latest(), entries_by_path("data"))
    process = start()
    for a, b in [(x, y) for x in copies for y in copies]:
        was, now = copies[a], copies[b]
        model.some(2, linked=False)
        lines = [json.loads(line) for line in keep("diff", "store", str(a), str(b), "--json").splitlines()]
        told = lines.pop()
        assert (told["from"], told["to"]) == (a, b), told
        for kind in ("added", "removed", "changed", "renamed"):
            assert told[kind] == sum(line["change"] == kind for line in lines), (told, kind)
        gone, new = set(), set()
        for line in lines:
            name = line["path"]
            if line["change"] == "renamed":
                gone.add(line["from"])
                assert was[line["from"]][4] == now[name][4] and line["from"] not in now, line
            if line["change"] in ("renamed", "added"):
                new.add(name)
            if line["change"] == "removed":
                gone.add(name)
            if line["change"] == "added":
                assert line["mode"] == "%04o" % now[name][1] or stat.S_ISLNK(now[name][0]), (line, now[name])
            if line["change"] == "changed":
                assert was[name] != now[name], line
                assert (line["size_before"], line["size"]) == (was[name][3], now[name][3]), (line, was[name], now[name])
                assert ("mode" in line) == (was[name][1] != now[name][1]), line
                if was[name][2] != now[name][2]:
                    assert (line["user_before"], line["group_before"], line["user"], line["group"]) == was[name][2] + now[name][2], line
        assert gone == set(was) - set(now) and new == set(now) - set(was), (a, b, gone, new)
        changed = {line["path"] for line in lines if line["change"] == "changed"}
        assert changed == {n for n in was if n in now and was[n] != now[n]}, (a, b, changed)
    stop(process)
    assert "has no version 99" in keep("diff", "store", "1", "99", status=2)
    assert "is not a moment" in keep("diff", "store", "never", "1", status=1)
    keep("diff", "store", "1", status=1)
    assert ": 0 added, 0 removed, 0 changed, 0 renamed" in keep("diff", "store", "1", "1")


def a_diff_of_hostile_names(dice):
    """Nothing of a name reaches the terminal raw, and a JSON reader gets all of it."""
    os.makedirs("data")
    names = [b"\x1b[2Jclear", b"line\nfeed", b"\xff\xfe", b"tab\t", "\u202ereversed".encode()]
    keep("capture", "store", "data")
    for name in names:
        with open(os.path.join(b"data", name), "wb") as f:
            f.write(dice.randbytes(9))
    keep("capture", "store", "data")
    done = subprocess.run([DXKEEP, "diff", "store", "1", "2"], stdout=subprocess.PIPE)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(names) + 1, done.stdout
    assert not any(c < 32 and c != 10 for c in done.stdout), done.stdout
    lines = [json.loads(line) for line in keep("diff", "store", "1", "2", "--json").splitlines()[:-1]]
    found = {bytes.fromhex(line["path_hex"]) if "path_hex" in line else line["path"].encode() for line in lines}
    assert found == set(names), found


def commands_on_a_damaged_store(dice):
    """One byte of the store is flipped at random: a command gives the right answer or status 2, 4 or 5, in bounded time."""
    os.makedirs("data/sub")
    for i in range(30):
        with open("data/sub/%d" % i, "wb") as f:
            f.write(dice.randbytes(3000))
    keep("capture", "store", "data")
    with open("data/sub/new", "wb") as f:
        f.write(dice.randbytes(3000))
    os.remove("data/sub/3")
    keep("capture", "store", "data")
    commands = [line.split() for line in READING_COMMANDS]
    right = [without_duration(keep(*line)) for line in commands]
    with open("store/objects", "rb") as f:
        whole = f.read()
    for _ in range(40):
        at = dice.randrange(len(whole))
        with open("store/objects", "wb") as f:
            f.write(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1:])
        if os.path.exists("store/index") and dice.random() < 0.5:
            os.remove("store/index")
        for line, answer in zip(commands, right):
            done = subprocess.run([DXKEEP, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
            assert done.returncode in (0, 2, 4, 5), (at, line, done.returncode, done.stderr)
            assert done.returncode or without_duration(done.stdout.decode()) == answer, (at, line, done.stdout)
            assert not done.returncode or done.stderr, (at, line, "no message")
        assert seen("out") == seen("data/sub") and seen("out.file") == seen("data/sub/new"), at  # all or nothing, whatever is damaged


def without_duration(text):
    return re.sub(r'"ms":\d+', '"ms":0', text)


READING_COMMANDS = ["diff store 1 2 --json", "timeline store", "gc store --keep last=1 --dry-run", "restore store 2 out --path sub --force --json", "restore store 2 out.file --path sub/new --force --json"]


def another_user_restores(dice):
    """A user without rights restores what belongs to others, whole and in part, and replays it: only owners differ."""
    if os.geteuid() or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    model = Model("data", dice)
    model.mkdir()
    model.some(40)
    keep("capture", "store", "data")
    model.some(40)
    for name in model.of(File)[:5]:
        os.chown(model.real(name), 12, 34)
    keep("capture", "store", "data")
    subprocess.run(["chown", "-R", "65534:65534", "store"], check=True)
    os.mkdir("theirs")
    os.chown("theirs", 65534, 65534)

    def as_other(*arguments):
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", DXKEEP, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, umask=0o077)
        assert done.returncode == 0, done.stdout.decode()

    def of_one_name(state):  # names outside of a part are no hard links of it
        return {name: e[:3] for name, e in state.items()}

    as_other("restore", "store", "1", "theirs/copy")
    as_other("replay", "store", "2", "theirs/copy", "--name", "dir")
    as_other("restore", "store", "2", "theirs/all")
    want = model.expected()
    assert not difference(want, seen("theirs/all")), difference(want, seen("theirs/all"))
    del want[""]  # a replay leaves the mode of the top
    got = {name: e for name, e in seen("theirs/copy").items() if name}
    assert not difference(want, got), difference(want, got)
    for i, name in enumerate(n for n in model.entries if n and not isinstance(model.entries[n], bytes)):
        as_other("restore", "store", "2", "theirs/%d" % i, "--path", name)
        a, b = of_one_name(seen("data/" + name)), of_one_name(seen("theirs/%d" % i))
        assert a == b, (name, difference(a, b))


def a_part_of_a_version(dice):
    """restore --path of any directory or file, with hard links into and out of it, against a real copy of the version."""
    model, parts = Model("data", dice), {}
    model.mkdir()
    for _ in range(4):
        model.some(30)
        for name in model.of(File)[:3]:
            if os.geteuid() == 0:
                os.chown(model.real(name), 12, 34)
        if os.geteuid() == 0:
            os.chown(model.real(dice.choice(model.of(int))), dice.randrange(9), 7)
        keep("capture", "store", "data")
        subprocess.run(["cp", "-a", "data", "copy%d" % latest()], check=True)
        parts[latest()] = [n for n in model.entries if n and not isinstance(model.entries[n], bytes)]
    process = start()
    for version, names in parts.items():
        for i, name in enumerate(dice.sample(sorted(names), min(len(names), 8))):
            real, back = os.path.join("copy%d" % version, name), "back%d.%d" % (version, i)
            model.some(1)  # the daemon commits meanwhile
            keep("restore", "store", str(version), back, "--path", name + "/" * (os.path.isdir(real) and dice.randrange(2)))
            want, got = seen(real), seen(back)
            outside = {at for at in want if want[at][3] and not got[at][3]}  # a hard link whose other names are not in the part
            assert {n: e[:3] for n, e in want.items()} == {n: e[:3] for n, e in got.items()}, (version, name, difference(real, back))
            for at in want:
                a, b = (os.lstat(os.path.join(p, at) if at else p) for p in (real, back))
                assert (a.st_uid, a.st_gid, a.st_mtime_ns, a.st_blocks > 0) == (b.st_uid, b.st_gid, b.st_mtime_ns, b.st_blocks > 0), (at, a, b)
            assert not outside or any(os.lstat(os.path.join(real, at) if at else real).st_nlink > 1 for at in outside), outside
    stop(process)
    version, names = list(parts.items())[-1]
    folder = next(n for n in names if os.path.isdir("copy%d/%s" % (version, n)))
    file = next(n for n in names if os.path.isfile("copy%d/%s" % (version, n)))
    os.makedirs("full/x")
    with open("there", "w") as f:
        f.write("mine")
    for name, target, says, status in [(folder, "full", "is not empty; use --force", 6), (file, "there", "exists; use --force", 6),
                                       (file, "full", "directory", 6), (folder, "there", "", 6), ("nothing", "new", "has no 'nothing'", 2),
                                       (file + "/x", "new", "has no '", 2), ("../data", "new", "not a path in a tree", 1),
                                       ("/etc", "new", "not a path in a tree", 1), (folder, "store/new", "contains the store", 6)]:
        assert says in keep("restore", "store", str(version), target, "--path", name, status=status), (name, target)
    assert open("there").read() == "mine" and os.listdir("full") == ["x"] and not os.path.exists("new")
    keep("restore", "store", str(version), "there", "--path", file, "--force")
    assert seen("there") == seen(os.path.join("copy%d" % version, file)) and not [n for n in os.listdir(".") if ".dxup" in n], os.listdir(".")
    os.symlink("a", "data/link")
    keep("capture", "store", "data")
    assert "symbolic link" in keep("restore", "store", "latest", "new", "--path", "link", status=1)


PERIODS = {"last": (0, 0), "minutely": (60, 0), "hourly": (3600, 0), "daily": (86400, 0), "weekly": (604800, 259200)}


def tree_for_tar(dice, folder):
    """What a tar archive needs more for than the first header: long names, large numbers, holes, attributes. Returns whether the file
    system and the user permit all of it."""
    os.makedirs(folder)
    at = os.open(folder, os.O_RDONLY)
    everything = True

    def path(*names):
        return os.path.join(folder, *names)

    def write(name, content, mode=0o644):
        with open(path(name), "wb") as f:
            f.write(content)
        os.chmod(path(name), mode)

    write("empty", b"")
    write("inline", b"x" * 20, 0o4755)
    write("block", dice.randbytes(512), 0)
    write("large", dice.randbytes(300001))
    write("f" * 255, b"long")
    write(os.fsdecode(b"not UTF-8 \xff\n=%"), b"bytes")
    for length in (97, 98, 99):  # with ./ before it and / after it, this is where the name field ends
        write("n" * length, b"%d" % length)
        os.mkdir(path("d" * length))
    os.makedirs(path(*["deep" * 30] * 6))
    write(os.path.join(*["deep" * 30] * 6, "f"), b"deep")
    for size, parts in ((1 << 20, ()), (3 << 20, (0,)), (3 << 20, (1 << 20,)), ((1 << 34) + 5, (12288, (1 << 33) + 4096, (1 << 34) - 4096)), (5 << 20, range(0, 5 << 20, 65536))):
        with open(path("sparse%d-%d" % (size, len(parts))), "wb") as f:
            f.truncate(size)
            for part in parts:
                f.seek(part)
                f.write(dice.randbytes(4096))
    for name, target in (("link", "no such file"), ("long link", "/".join(["up"] * 1300)), ("exact", "t" * 100)):
        os.symlink(target, path(name))
    os.mkfifo(path("fifo"), 0o620)
    for name, first in (("z1", "large"), ("z2", "large"), (os.path.join(*["deep" * 30] * 6, "z3"), "f" * 255), ("z4", "link"), ("z5", "fifo")):
        os.link(path(first), path(name), follow_symlinks=False)
    try:
        os.setxattr(path("large"), "user.a=b%c", dice.randbytes(3000))
        os.setxattr(path(), "user.top", b"\0\n=")
        acl = b"\2\0\0\0" + b"".join(tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
                                   for tag, perm, who in ((1, 6, 2**32 - 1), (2, 7, 12), (4, 4, 2**32 - 1), (16, 7, 2**32 - 1), (32, 0, 2**32 - 1)))
        os.setxattr(path("large"), "system.posix_acl_access", acl)
        os.setxattr(path("d" * 97), "system.posix_acl_default", acl)
    except OSError:
        everything = False
    try:
        os.mknod(path("device"), 0o600 | stat.S_IFCHR, os.makedev(7, 300))
        os.chown(path("block"), 3000000000, 5)
        os.chown(path("d" * 98), 1, 2)
        open(path("d" * 98, "inherits"), "w").close()
        os.chown(path("d" * 98, "inherits"), 1, 2)
    except OSError:
        everything = False
    for name, when in (("empty", 1), ("inline", -1500000000), ("block", 8589934592123456789), ("link", 1234567890), ("d" * 99, 1600000000 * 10**9)):
        os.utime(path(name), ns=(when, when), follow_symlinks=False)
    os.close(at)
    return everything


def an_export_is_the_directory(dice):
    """GNU tar makes the directory again from it, down to holes, attributes and nanoseconds; Python reads it, too."""
    import tarfile
    everything = tree_for_tar(dice, "data")
    keep("run", "store", "data", "--", "true")
    out = json.loads(keep("export", "store", "t.tar", "--json"))
    assert out["consistent"] and out["size"] == os.path.getsize("t.tar") and out["version"] == latest(), out
    assert os.path.getsize("t.tar") < 2 << 20, "holes were written"
    os.makedirs("out")
    xattrs = ["--xattrs", "--xattrs-include=*"]
    done = subprocess.run(["tar", "-C", "out", "--warning=no-timestamp", *xattrs, "-xpf", "t.tar"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and not done.stdout, done.stdout.decode(errors="replace")
    assert out["entries"] == sum(len(d) + len(f) for _, d, f in os.walk("data")) + 1
    for folder, folders, files in os.walk("data"):
        for name in folders + files + ["."]:
            a = os.path.join(folder, name)
            b = "out" + a[4:]
            x, y = os.lstat(a), os.lstat(b)
            for field in ("st_mode", "st_uid", "st_gid", "st_nlink", "st_mtime_ns", "st_rdev", *(("st_size",) if stat.S_ISREG(x.st_mode) else ())):
                assert getattr(x, field) == getattr(y, field), (a, field, getattr(x, field), getattr(y, field))
            assert abs(x.st_blocks - y.st_blocks) <= 64, (a, x.st_blocks, y.st_blocks)  # the file system's own may differ
            assert {n: os.getxattr(a, n, follow_symlinks=False) for n in os.listxattr(a, follow_symlinks=False)} == \
                {n: os.getxattr(b, n, follow_symlinks=False) for n in os.listxattr(b, follow_symlinks=False)}, a
    for tree in ("data", "out"):
        os.unlink(next(tree + "/" + n for n in os.listdir(tree) if n.startswith("sparse17179")))  # not to be read
        os.utime(tree, ns=(10**18, 10**18))
    if shutil.which("rsync"):
        done = subprocess.run(["rsync", "-nacHAXS", "--delete", "-i", "data/", "out/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0 and not done.stdout, done.stdout.decode(errors="replace")
    assert not difference(seen("data"), seen("out"))
    with tarfile.open("t.tar", errors="surrogateescape") as t:
        members = {m.name: m for m in t.getmembers()}
        assert len(members) == out["entries"], (len(members), out)
        for name, m in members.items():
            if m.isreg() and m.size < 1 << 30:
                assert t.extractfile(m).read() == open("data/" + name, "rb").read(), name
    if not everything:
        raise Skip("not all of it: this user or file system has no devices, owners or attributes")


def an_export_is_of_a_consistent_version(dice):
    """The newest at or before the moment; errors say what to do, and leave neither a new file nor another one."""
    os.makedirs("data")
    torn_capture("0")
    out = keep("export", "store", "t.tar", status=2)
    assert "no consistent version" in out and "version 1 is torn: no process was stopped" in out and "--torn" in out, out

    def content(*more):
        done = subprocess.run([DXKEEP, "export", "store", "-", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert not done.returncode, done.stderr
        text = subprocess.run(["tar", "-xOf", "-", "./f"], input=done.stdout, stdout=subprocess.PIPE, check=True).stdout
        return text.decode().strip(), done.stderr.decode()

    assert content("--torn") == ("0", "")
    for n in ("1", "2"):
        keep("run", "store", "data", "--", "sh", "-c", "echo %s >data/f" % n)
        torn_capture("torn " + n)
    found = {v["version"]: v for v in versions()}
    last = max(found)
    good = [v for v in found if found[v]["consistent"]]
    text, message = content()
    assert text == "2" and "version %d is torn; version %d before it is consistent" % (last, max(good)) in message, (text, message)
    assert content("--torn") == ("torn 2", "") and content("--time", "latest", "--quiet") == ("2", "")
    moment = next(v for v in sorted(found, reverse=True) if v < max(good) and not found[v]["consistent"])
    assert content("--time", str(moment), "--quiet")[0] == "1" and content("--time", str(moment), "--torn")[0] == "torn 1"
    when = found[moment]["time_ns"] + 1000000
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when // 10**9)) + ".%03d" % (when // 10**6 % 1000)
    assert content("--time", when, "--quiet")[0] == "1", when
    assert "at or before" in keep("export", "store", "t.tar", "--time", "3d", status=2)
    assert "is not a moment" in keep("export", "store", "t.tar", "--time", "x", status=1)
    assert "has no version 99" in keep("export", "store", "t.tar", "--time", "99", status=2)
    assert "there is no store" in keep("export", "none", "t.tar", status=2)
    assert "--entries-max" in keep("export", "store", "t.tar", "--size-max", "1", "--entries-max", "1", "--quiet", "--force", "--torn", status=6) \
        or "--size-max" in keep("export", "store", "t.tar", "--size-max", "1", "--torn", status=6)
    assert os.listdir(".").count("t.tar") == 0 and sorted(os.listdir(".")) == ["data", "store"], os.listdir(".")
    keep("export", "store", "t.tar", "--quiet")
    before = open("t.tar", "rb").read()
    assert "exists" in keep("export", "store", "t.tar", "--torn", status=6) and open("t.tar", "rb").read() == before
    keep("export", "store", "t.tar", "--torn", "--force", "--quiet")
    assert open("t.tar", "rb").read() != before
    with open("/dev/full", "wb") as full:
        done = subprocess.run([DXKEEP, "export", "store", "-", "--torn"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 5 and b"No space left" in done.stderr, done
    import pty
    other, terminal = pty.openpty()
    done = subprocess.run([DXKEEP, "export", "store", "-", "--torn"], stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    os.close(other)
    assert done.returncode == 6 and b"terminal" in done.stderr, done


def may_mount():
    """Is dxkeep built with libfuse3, and may this user mount?"""
    os.makedirs("probe/data"), os.makedirs("probe/point")
    keep("capture", "probe/store", "probe/data")
    process = subprocess.Popen([DXKEEP, "mount", "probe/store", "probe/point"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said_first = process.stdout.readline()
    process.terminate()
    process.wait(PATIENCE)
    shutil.rmtree("probe")
    return b"shows the versions" in said_first


@contextlib.contextmanager
def mount_of(store, point, *more):
    """Mounted while it is used; ended by umount, by SIGTERM or by both."""
    process = subprocess.Popen([DXKEEP, "mount", store, point, *more], stdout=subprocess.PIPE)
    try:
        assert b"shows the versions" in process.stdout.readline()
        yield process
    finally:
        process.terminate()
        try:
            code = process.wait(PATIENCE)
        finally:
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
        assert code == 0, code


def a_mount_shows_the_directory(dice):
    """Whatever a version has is at its path, also read in parts in any order; nothing can be changed."""
    if not may_mount():
        raise Skip("no libfuse3, no /dev/fuse, or no right to mount")
    everything = tree_for_tar(dice, "data")
    os.mkdir("point"), os.mkdir("data/many")
    for i in range(5000):
        open("data/many/%d" % i, "w").close()
    keep("capture", "store", "data")
    count = 0
    with mount_of("store", "point"):
        assert sorted(os.listdir("point")) == ["1", "latest"] and os.readlink("point/latest") == "1"
        for folder, folders, files in os.walk("data"):
            assert sorted(os.listdir("point/1" + folder[4:])) == sorted(folders + files), folder
            for name in folders + files + ["."]:
                a = os.path.join(folder, name)
                b = "point/1" + a[4:]
                x, y = os.lstat(a), os.lstat(b)
                count += 1
                for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_rdev", *(("st_size",) if not stat.S_ISDIR(x.st_mode) else ())):
                    assert getattr(x, field) == getattr(y, field), (a, field, getattr(x, field), getattr(y, field))
                assert {n: os.getxattr(a, n, follow_symlinks=False) for n in os.listxattr(a, follow_symlinks=False)} == \
                    {n: os.getxattr(b, n, follow_symlinks=False) for n in os.listxattr(b, follow_symlinks=False)}, a
                if stat.S_ISLNK(x.st_mode):
                    assert os.readlink(a) == os.readlink(b), a
                if not stat.S_ISREG(x.st_mode):
                    continue
                with open(a, "rb") as f, open(b, "rb") as g:
                    for _ in range(6):
                        at, size = dice.randrange(x.st_size + 9), dice.choice((1, 4096, 100000))
                        f.seek(at), g.seek(at)
                        assert f.read(size) == g.read(size), (a, at, size)
                    if x.st_size < 1 << 30:
                        f.seek(0), g.seek(0)
                        assert f.read() == g.read(), a
        assert count > 5000
        for change in (lambda: open("point/1/large", "r+b"), lambda: open("point/1/new", "w"), lambda: os.unlink("point/1/large"), lambda: os.mkdir("point/x"),
                       lambda: os.rename("point/1/large", "point/1/l"), lambda: os.chmod("point/1/large", 0), lambda: os.rmdir("point/1")):
            try:
                change()
            except OSError as e:
                assert e.errno in (30, 1), e  # EROFS, EPERM
            else:
                raise AssertionError("changed")
        for path in ("2", "0", "02", "+1", "-1", "99999999999999999999", "1/no", "1/large/x", "no", "5x", ".Trash", "latest/no", "n" * 255, "10y"):
            assert not os.path.lexists("point/" + path), path
    assert not os.path.exists("point/1")
    if not everything:
        raise Skip("not all of it: this user or file system has no devices, owners or attributes")


def a_mount_follows_its_store(dice):
    """Versions appear and go while it is mounted; a file that is open stays readable; a moment leads to the version of that time."""
    if not may_mount():
        raise Skip("no libfuse3, no /dev/fuse, or no right to mount")
    os.makedirs("data"), os.mkdir("point")
    contents = {}
    with contextlib.ExitStack() as stack:
        for version in range(1, 30):
            contents[version] = dice.randbytes(dice.choice((0, 10, 5000, 300000)))
            with open("data/f", "wb") as f:
                f.write(contents[version])
            with open("data/%d" % version, "wb") as f:
                f.write(b"x")
            keep("capture", "store", "data")
            if version == 1:
                stack.enter_context(mount_of("store", "point"))
            for old in dice.sample(range(1, version + 1), min(3, version)) + [version]:
                assert os.path.exists("point/%d" % old) == (old in contents), old
                if old in contents:
                    assert open("point/%d/f" % old, "rb").read() == contents[old], (version, old)
            assert os.readlink("point/latest") == str(version) and os.readlink("point/0s") == str(version)
            for v in json_log():  # a second has several versions; the last one counts
                of = max(w["version"] for w in json_log() if w["time"] == v["time"])
                assert os.readlink("point/" + v["time"]) == str(of), v
            assert set(os.listdir("point")) == {str(v) for v in contents} | {"latest"}
            if version % 10 == 0:
                opened = open("point/%d/f" % (version - 5), "rb")
                keep("gc", "store", "--keep", "last=3")
                assert opened.read() == contents[version - 5]
                opened.close()
                contents = {v: c for v, c in contents.items() if v > version - 3}
                time.sleep(10.5)  # what the system may remember of a removed version
        assert subprocess.run([DXKEEP, "mount", "store", "no"], stderr=subprocess.DEVNULL).returncode == 2
        assert subprocess.run([DXKEEP, "mount", "nothing", "data"], stderr=subprocess.DEVNULL).returncode == 2
        subprocess.run(["umount", "point"], check=True)


def json_log():
    return [json.loads(line) for line in keep("log", "store", "--json").splitlines()]


def a_mount_of_a_damaged_store(dice):
    """One byte of the store is flipped at random: what can be read is right, the rest is an error, and it goes on."""
    if not may_mount():
        raise Skip("no libfuse3, no /dev/fuse, or no right to mount")
    os.makedirs("data/sub"), os.mkdir("point")
    for i in range(40):
        with open("data/sub/%d" % i, "wb") as f:
            f.write(dice.randbytes(dice.choice((30, 3000, 200000))))
    os.symlink("x" * 900, "data/sub/link")
    keep("capture", "store", "data")
    with open("store/objects", "rb") as f:
        whole = f.read()
    errors = 0
    for _ in range(12):
        at = dice.randrange(len(whole))
        with open("store/objects", "wb") as f:
            f.write(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1:])
        process = subprocess.Popen([DXKEEP, "mount", "store", "point"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if b"shows the versions" not in process.stdout.readline():
            assert process.wait(PATIENCE) in (2, 4, 5)
            errors += 1
            continue
        try:
            for i in range(40):
                try:
                    assert open("point/1/sub/%d" % i, "rb").read() == open("data/sub/%d" % i, "rb").read(), (at, i)
                except OSError as e:
                    assert e.errno in (5, 2), e
                    errors += 1
            assert process.poll() is None
        finally:
            process.terminate()
            code = process.wait(PATIENCE)
            subprocess.run(["umount", "-l", "point"], stderr=subprocess.DEVNULL)
        assert code == 0, code
    assert errors


def kept_by(rule, found, now=None):
    """The versions that a rule keeps, of [(version, seconds, consistent, pinned)], newest first."""
    stay = {v for v, _, _, pinned in found if pinned} | {found[0][0]} | {v for v, _, c, _ in [f for f in found if f[2]][:1]}
    for part in rule.split(","):
        name, count = part.split("=")
        if name == "within":
            from_s = now - int(count[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[count[-1]]
            stay |= {v for v, at, _, _ in found if at >= from_s}
            continue
        length, shift = PERIODS[name]
        groups = {}
        for v, at, consistent, _ in found:
            groups.setdefault((at + shift) // length if length else v, []).append((v, consistent))
        for group in list(groups.values())[:int(count)]:
            stay.add(next((v for v, consistent in group if consistent), group[0][0]))
    return stay


def a_history(dice, count):
    """A store with versions whose times are up to weeks apart, also with a clock that was set back; a plain copy of each."""
    clock = build_shim("clock.so", "tests/programs/dxkeep_clock.c")
    model, at = Model("data", dice), 1700000000
    for i in range(count):
        model.some(4)
        with open("data/always", "w") as f:
            f.write("%d" % i)
        model.entries["always"] = File(b"%d" % i, stat.S_IMODE(os.stat("data/always").st_mode))
        at += dice.choice([1, 30, 700, 5000, 40000, 200000, 900000, -4000])
        wrong = dice.choice([at] * 8 + [7000, at + 10**9])  # of a board without a battery, or of somebody who mistyped
        env = {**preloaded(clock), "DX_CLOCK_S": str(wrong)}
        if dice.randrange(3):
            keep("capture", "store", "data", env=env)
        else:  # one before the program starts is consistent
            keep("run", "store", "data", "--scan-s", "0", "--", "true", env=env)
        subprocess.run(["cp", "-a", "data", "copy%d" % latest()], check=True)
    return {v["version"]: (v["time_ns"] // 1000000000, v["consistent"]) for v in versions()}


def a_program_that_ends_at_any_moment(dice):
    """Its end may come while dxkeep does not sleep, and no later event ends the next sleep. Several at once, so that each waits
    for a processor at any place."""
    for turn in range(25):
        started = []
        for i in range(8):
            os.makedirs("data%d" % i, exist_ok=True)
            with open("data%d/f" % i, "w") as f:
                f.write(str(turn))
            started.append(subprocess.Popen([DXKEEP, "run", "store%d" % i, "data%d" % i, "--scan-s", "0", "--quiet", "--", "true"],
                                            stdin=subprocess.DEVNULL))
        until = time.monotonic() + 60
        try:
            assert [p.wait(max(0, until - time.monotonic())) for p in started] == [0] * 8, turn
        finally:
            for p in started:
                p.kill()


def old_versions_are_removed_by_a_rule(dice):
    """gc --keep against an oracle, with pins and tags; what stays is what it was, and keeps its number."""
    found = a_history(dice, 40)
    pinned = set(dice.sample(sorted(found), 4))
    for version in pinned:
        assert "is pinned" in keep("pin", "store", str(version))
    lifted = pinned.pop()
    assert "was already pinned" in keep("pin", "store", str(lifted))
    assert "no longer" in keep("pin", "store", str(lifted), "--remove") and "was not" in keep("pin", "store", str(lifted), "--remove")
    assert {v["version"] for v in versions() if v.get("pinned")} == pinned
    sizes = []
    for rule in ("last=30,weekly=99,daily=12", "last=3,minutely=4,hourly=6,daily=7,weekly=2", "daily=3", "last=1"):
        rows = [(v["version"], v["time_ns"] // 1000000000, v["consistent"], v["version"] in pinned) for v in versions()]
        want = kept_by(rule, rows)
        dry = [json.loads(line)["removed"] for line in keep("gc", "store", "--keep", rule, "--dry-run", "--json").splitlines()]
        assert set(dry) == {r[0] for r in rows} - want, (rule, dry, want)
        told = json.loads(keep("gc", "store", "--keep", rule, "--json"))
        assert told["versions_removed"] == len(dry) and told["size"] == os.path.getsize("store/objects"), told
        assert {v["version"] for v in versions()} == want, (rule, want)
        sizes.append(told["size"])
        keep("verify", "store", "--quiet")
    assert sizes[0] > sizes[-1], sizes
    for version in {v["version"] for v in versions()}:
        keep("restore", "store", str(version), "back", "--force")
        assert seen("back") == seen("copy%d" % version), version
    gone = next(v for v in found if v not in want)
    assert "has no version %d" % gone in keep("restore", "store", str(gone), "none", status=2)
    assert "has no version" in keep("pin", "store", str(gone), status=2)
    with open("data/always", "w") as f:
        f.write("after")
    keep("capture", "store", "data")
    assert latest() == max(found) + 1
    for bad in ("24h", "within", "within=", "within=0h", "within=24", "within=24x", "within=h", "within=1h,within=2h", "within=999999999h",
                "", "hourly", "hourly=", "hourly=0", "hourly=x", "yearly=3", "hourly=1,", ",hourly=1", "hourly=1,hourly=2", "last=99999999999"):
        assert "--keep" in keep("gc", "store", "--keep", bad, status=1), bad
        assert "--keep" in keep("daemon", "store", "data", "--keep", bad, status=1), bad
    for bad in ("x", "1", "0 dir\n", "1 dir", "99999999999999999999 dir\n", "1 dir\n\0"):
        with open("store/pins", "w") as f:
            f.write(bad)
        for command in (["log", "store"], ["gc", "store", "--keep", "last=1"], ["pin", "store", "latest"]):
            assert "store/pins is damaged" in keep(*command, status=4), (bad, command)


def a_collection_killed_at_any_moment(dice):
    """CA-4: SIGKILL of gc: every version that the rule or a pin keeps is as it was, and the store stays sound."""
    found = a_history(dice, 16)
    pinned = set(dice.sample(sorted(found), 3))
    for version in pinned:
        keep("pin", "store", str(version))
    shutil.copytree("store", "before")
    rows = [(v["version"], v["time_ns"] // 1000000000, v["consistent"], v["version"] in pinned) for v in versions()]
    want, removed, took = kept_by("last=2,daily=3", rows), 0, 0.05
    for turn in range(int(os.environ.get("DX_KILLS", "10"))):
        shutil.rmtree("store")
        shutil.copytree("before", "store")
        began = time.monotonic()
        process = subprocess.Popen([DXKEEP, "gc", "store", "--keep", "last=2,daily=3"], stdout=subprocess.DEVNULL, stderr=open("log", "wb"))
        if turn:
            time.sleep(dice.random() * took)
            process.kill()
        process.wait()
        took = took if turn else time.monotonic() - began
        have = {v["version"] for v in versions()}
        assert have in (want, set(found)), (turn, have)
        removed += have == want
        keep("capture", "store", "data")  # whatever the kill left
        for version in want:
            keep("restore", "store", str(version), "back", "--force")
            assert seen("back") == seen("copy%d" % version), (turn, version)
        keep("verify", "store", "--quiet")
    assert removed


def a_daemon_that_removes_old_versions(dice):
    """daemon --keep beside a writer, with pins from outside and kills: what is listed is whole, pins stay, the store stays small."""
    os.makedirs("data")
    blob, pinned, at = dice.randbytes(30000), {}, 0
    for turn in range(4):
        process = start("--keep", "last=5", "--quiet-ms", "1", "--hold-ms", "5", "--scan-s", "0")
        wait_for("the start", lambda: said("watching"), process)
        for step in range(25):
            at += 1
            with open("data/new", "wb") as f:
                f.write(b"%d " % at + dice.randbytes(20000) + blob)
            os.rename("data/new", "data/file")
            wait_for("a version", lambda: subprocess.run([DXKEEP, "cat", "store", "latest", "file"], stdout=subprocess.PIPE,
                                                         stderr=subprocess.DEVNULL).stdout.startswith(b"%d " % at), process)
            if step % 10 == 5:
                version = latest()
                keep("pin", "store", str(version))
                pinned[version] = open("data/file", "rb").read()
        if turn != 2:
            wait_for("a collection", lambda: said("removed "), process)
            wait_for("few versions", lambda: len(versions()) <= len(pinned) + 6 + 16, process)
        if turn % 2:
            time.sleep(dice.random() * 0.3)
            process.kill()
            process.wait()
        else:
            stop(process)
        keep("verify", "store", "--quiet")
        have = {v["version"] for v in versions()}
        assert set(pinned) <= have, (pinned.keys(), have)
        for version, content in pinned.items():
            done = subprocess.run([DXKEEP, "cat", "store", str(version), "file"], stdout=subprocess.PIPE)
            assert done.returncode == 0 and done.stdout == content, version
        for version in have:
            keep("restore", "store", str(version), "back", "--force")
    assert latest() >= 100
    assert "another process" not in keep("gc", "store", "--keep", "last=1")
    assert {v["version"] for v in versions()} == set(pinned) | {latest()}


def status(*more):
    return json.loads(keep("status", "store", "--json", *more))


def status_of_a_store(dice):
    """CA-4: Without a daemon, with one, while changes wait, after a failure, and after a kill; unreferenced bytes are what gc removes."""
    os.makedirs("data")
    assert "there is no store" in keep("status", "store", status=2)
    with open("data/f", "wb") as f:
        f.write(dice.randbytes(50000))
    keep("capture", "store", "data")
    assert keep("status", "store").startswith("running    no\n")
    now = status()
    assert not now["running"] and (now["latest"], now["versions"], now["unreferenced"]) == (1, 1, 0), now
    process = start("--quiet-ms", "1", "--hold-ms", "1", "--scan-s", "0")
    wait_for("the record", lambda: status()["running"], process)
    now = status()
    assert now["process"] == process.pid and now["directory"] == os.path.realpath("data") and abs(now["since_ns"] - time.time_ns()) < 60e9, now
    wait_for("no lag", lambda: status()["lag_ms"] == 0 and not status()["failed"], process)
    for i in range(20):
        with open("data/f", "wb") as f:
            f.write(dice.randbytes(50000))
        wait_for("a version", lambda: latest() > i + 1, process)
        assert status()["latest"] >= i + 2
    import resource
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (os.path.getsize("store/objects") + 100000, resource.RLIM_INFINITY))
    with open("data/big", "wb") as f:
        f.write(dice.randbytes(3000000))
    wait_for("a failure", lambda: status()["failed"] and status()["lag_ms"] > 1500, process)
    assert "the last capture failed; changes wait for" in keep("status", "store")
    assert "behind: the last capture failed" in keep("status", "store", "--max-lag", "1000", status=6)
    assert json.loads(subprocess.run([DXKEEP, "status", "store", "--json", "--max-lag", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)["failed"]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    wait_for("the end of the lag", lambda: not status()["failed"] and not status()["lag_ms"], process)
    assert "behind" not in keep("status", "store", "--max-lag", "0")
    os.remove("data/big")
    wait_for("a version", lambda: "big" not in keep("ls", "store", "latest"), process)
    process.kill()
    process.wait()
    assert not status()["running"]
    assert "behind: no dxkeep captures into it" in keep("status", "store", "--max-lag", "1000", status=6)
    before = status()
    keep("gc", "store", "--keep", "last=1")
    after = status()
    assert before["unreferenced"] < 100 and after["unreferenced"] == 0 and after["store_size"] < before["store_size"] / 5, (before, after)
    for record in (b"", b"x", b"1 2 3 4 5\n/x\n", dice.randbytes(4223), b"0" * 4223):  # nobody holds its lock
        with open("store/keeper", "wb") as f:
            f.write(record)
        assert not status()["running"]
    with open("store/keeper", "r+b") as held:  # somebody does
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not status()["running"]


def a_timeline(dice):
    """Counts of each minute, hour and day against an oracle, as JSON and as bars."""
    found = a_history(dice, 30)
    for unit, length in (("minute", 60), ("hour", 3600), ("day", 86400)):
        want = {}
        for at, consistent in found.values():
            want.setdefault(at // length * length, [0, 0])[not consistent] += 1
        lines = [json.loads(line) for line in keep("timeline", "store", "--by", unit, "--json").splitlines()]
        got = [(line["time_ns"] // 1000000000, [line["consistent"], line["torn"]]) for line in lines]
        assert got == sorted(want.items(), reverse=True), (got, want)
        text = [line for line in keep("timeline", "store", "--by", unit).splitlines() if re.match(r"\d{4}-", line)]
        most = max(map(sum, want.values()))
        assert len(text) == len(want)
        for line, (_, (good, torn)) in zip(text, got):
            bar = re.search(r"  (#*)(-*)  (\d+)", line)
            assert int(bar[3]) == good + torn and (bool(bar[1]), bool(bar[2])) == (bool(good), bool(torn)), line
            assert abs(len(bar[1] + bar[2]) - (good + torn) * 50 / most) <= 2 and len(bar[1] + bar[2]) <= 50, line
    assert len(keep("timeline", "store", "--json", "--by", "day", "--limit", "3").splitlines()) == 3
    assert "is not a unit" in keep("timeline", "store", "--by", "year", status=1)
    assert "no versions named other" in keep("timeline", "store", "--name", "other", status=2)
    assert json.loads(keep("timeline", "store", "--json").splitlines()[0])["period"] == "day"


def torn_reasons():
    return versions(1)[0]["torn_reasons"]


def said_by_all(key, text):
    """log, status and timeline give the reason of the latest version, as text and as JSON."""
    found = versions(1)[0]
    assert key in found["torn_reasons"] and not found["consistent"], found
    assert text in keep("log", "store", "--limit", "1"), keep("log", "store", "--limit", "1")
    assert key in status()["torn_reasons"] and text in keep("status", "store").split("latest")[1].split("versions")[0], keep("status", "store")
    newest = json.loads(keep("timeline", "store", "--json").splitlines()[0])
    assert {key} <= {one["reason"] for one in newest["torn_reasons"]} and all(1 <= one["versions"] <= newest["torn"] for one in newest["torn_reasons"]), newest
    assert re.search("^torn, [0-9,]+: .*" + text, keep("timeline", "store"), re.M), keep("timeline", "store")


def why_a_version_is_torn(dice):
    """Reasons are stored with the version and printed; a consistent version has none. every_reason_is_forced() has all of them."""
    os.makedirs("data")
    out = json.loads(subprocess.run([DXKEEP, "capture", "store", "data", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    assert out["torn_reasons"] == ["not-stopped"], out
    said_by_all("not-stopped", "no process was stopped during the capture")
    keep("run", "store", "data", "--", "sh", "-c", "echo 1 >data/f")
    assert versions(1)[0]["consistent"] and torn_reasons() == [] and status()["torn_reasons"] == []
    assert ":" not in keep("log", "store", "--limit", "1").split("consistent")[1]
    out = keep("run", "store", "data", "--no-freeze", "--hold-ms", "1", "--quiet-ms", "1", "--verbose", "--", "sh", "-c", "echo 2 >data/g; sleep 0.3; exec sleep 0.1")
    assert "torn: no process was stopped during the capture" in out, out
    keep("run", "store", "data", "--before-capture", "exit 1", "--", "sh", "-c", "echo 2 >data/f")
    assert torn_reasons() == ["hook-failed"], versions(1)
    said_by_all("hook-failed", "the command of --before-capture failed")
    for left in ("data", "store"):
        shutil.rmtree(left, ignore_errors=True)
    os.makedirs("data")
    open("data/f", "w").close()
    open("log", "w").close()
    process = start("--quiet-ms", "1", "--hold-ms", "5", "--quiet", command="run", program=("--", "sh", "-c", "ln -f data/f data/h; sleep 1000"))
    try:
        wait_for("several names", lambda: any("hard-links" in v["torn_reasons"] for v in versions()), process)
        assert torn_reasons() == ["hard-links"], versions(1)
        said_by_all("hard-links", "a file has several names")
    finally:
        process.kill()
        process.wait()
    wait_for("the end of the program", lambda: not writers())
    assert all(bool(v["torn_reasons"]) != v["consistent"] for v in versions()), versions()


# For each reason: what must be given (all of these), options, and a program that brings it about; without one, dxkeep_faults.c does.
REASONS = {
    "not-stopped": ({"not-stopped"}, ("--no-freeze",), None),
    "hook-failed": ({"hook-failed"}, ("--before-capture", "exit 1"), None),
    "app-failed": None,  # not of `run`: sqlite_that_cannot_be_locked() and redis_that_cannot_be_captured() in test_dxkeep_app.py force it
    "process-ended": None,  # not of `run`: what_is_stopped_is_gone() forces it
    "slow-stop": ({"slow-stop"}, ("--pause-max-ms", "200"), None),
    "processes-started": ({"processes-started"}, ("--pause-max-ms", "500"), None),
    "unstoppable": ({"unstoppable"}, (), None),
    "slow-read": ({"slow-read"}, ("--pause-max-ms", "1000"), None),
    "too-much-changed": ({"too-much-changed"}, (), None),
    "directory-replaced": None,  # not of `run` alone: a_restore_while_it_is_captured() forces it
    "polled": ({"polled"}, (), None),
    "events-lost": ({"events-lost"}, (), None),
    "mappings-unknown": ({"mappings-unknown"}, (), None),
    "hard-links": ({"hard-links"}, (), "import os, time\nopen('data/one', 'w').close()\nos.link('data/one', 'data/two')\ntime.sleep(1000)"),
    "owner-changed": ({"owner-changed"}, (), None),
    "replaced": ({"replaced"}, (), None),
    "written-while-stopped": ({"written-while-stopped"}, (), None),
    "changed-during-reads": ({"changed-during-reads", "written-while-stopped"}, (), None),
}


def every_reason_is_forced(dice):
    """Each reason in torn.c is brought about by the fault that it names, alone where that is possible; without a fault the same
    directory has consistent versions, and the fault never leads to one."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    source = open(os.path.join(top, "programs/dxkeep/torn.c")).read()
    assert set(re.findall(r'\] = \{"([a-z-]+)"', source)) == set(REASONS), "torn.c has other reasons than this test"
    shim = build_shim("faults.so", "tests/programs/dxkeep_faults.c")
    open("program", "w").write("import os, time\nopen('data/start', 'w').close()\nwhile True:\n time.sleep(0.05)\n open('data/tick', 'w').close()\n")
    for key in ("", *REASONS):
        for left in ("data", "store"):
            shutil.rmtree(left, ignore_errors=True)
        os.makedirs("data")
        open("log", "w").close()
        if key in REASONS and not REASONS[key]:
            continue
        keys, more, text = REASONS.get(key, (set(), (), None))
        pause = () if "--pause-max-ms" in more else ("--pause-max-ms", "20000")
        program = ("--", "env", "-u", "LD_PRELOAD", sys.executable, *(("-c", text) if text else ("program",)))
        process = start("--quiet-ms", "1", "--hold-ms", "5", "--quiet", *pause, *more, command="run", program=program,
                        env={**preloaded(shim), "DX_FAULT": key, "DX_DELAY_MS": "1100"})
        try:
            wait_for(key or "a consistent version", lambda: any(v["version"] > 1 and set(v["torn_reasons"]) == keys for v in versions()), process)
        finally:
            process.kill()
            process.wait()
            wait_for("the end of the program", lambda: not writers())
        found = [v for v in versions() if v["version"] > 1]
        if not found[0]["consistent"] and not found[0]["torn_reasons"]:
            del found[0]  # dxkeep was killed before it had stored the reasons
        assert all(bool(v["torn_reasons"]) != v["consistent"] for v in found), "%s: torn without a reason, or consistent with one: %r" % (key, found)
        if key in ("", "hard-links"):
            continue  # before the program has made its link, there may be consistent ones
        good = [v for v in found if v["consistent"]]
        assert not good, "%s: called consistent in spite of it: %r" % (key, good)


def stops_that_cannot_succeed(dice):
    """A file too large for --pause-max-ms changes all the time. Once a stop was too short for it, most captures leave the stop out,
    with the same reason; it is tried again, ever more seldom, and when the file can be read, a version is consistent."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = build_shim("faults.so", "tests/programs/dxkeep_faults.c")
    os.makedirs("data")
    with open("data/big", "wb") as f:
        f.write(dice.randbytes(4 << 20))
    open("program", "w").write("import os, time\nf, n = os.open('data/big', os.O_RDWR), 0\nwhile True:\n"
                               " os.pwrite(f, b'%d' % n, 1000000 + n % 5 * 500000)\n n += 1\n time.sleep(0.001)\n")
    process = start("--quiet-ms", "1", "--hold-ms", "5", "--quiet", "--pause-max-ms", "200", command="run",
                    program=("--", "env", "-u", "LD_PRELOAD", sys.executable, "program"),
                    env={**preloaded(shim), "DX_FAULT": "slow-disk", "DX_DELAY_MS": "40"})

    def slow():
        return [v for v in versions() if "slow-read" in v["torn_reasons"]]

    try:
        wait_for("torn versions", lambda: len(slow()) >= 9, process)
        stops, torn = os.path.getsize("stops"), len(slow())
        assert stops <= torn // 2 + 1, "%d stops were tried for %d versions that are torn because of them" % (stops, torn)
        wait_for("a later stop", lambda: os.path.getsize("stops") > 2, process)
        open("fast", "w").close()
        wait_for("a consistent version", lambda: any(v["consistent"] and v["version"] > 1 for v in versions()), process)
    finally:
        process.kill()
        process.wait()
        wait_for("the end of the program", lambda: not writers())
    assert all(bool(v["torn_reasons"]) != v["consistent"] for v in versions()), versions()


def records_of_torn_versions(dice):
    """Those of an older dxkeep have names only; unknown reasons and damage are no failure; the size is bounded."""
    os.makedirs("data")
    torn_capture("0")
    record, = (name for name in os.listdir("store") if name.startswith("torn-"))
    record = "store/" + record
    assert open(record, "rb").read() == b"1!not-stopped\0"

    def reads(text):
        with open(record, "wb") as f:
            f.write(text)
        return keep("log", "store").split("  ")[-1], versions(1)[0]

    text, found = reads(b"1 a/b\x002 c\x00")
    assert text == "torn: written to while the program was stopped: a/b\n" and found["torn_files"] == ["a/b"] and found["torn_reasons"] == [], (text, found)
    text, found = reads(b"1!of the future\x001!slow-read\x001 a\nb\x00")
    assert text == "torn: the changes could not be read within --pause-max-ms: a?b\n" and found["torn_reasons"] == ["slow-read"], (text, found)
    for damage in (b"", b"\0", b"1", b"1!", b"1!\0", b"!\0", b"x" * 70000, b"1!slow-rea", dice.randbytes(70000)):
        text, found = reads(damage)
        assert text == "torn\n" and found["torn_reasons"] == [], (damage[:20], text, found)
    with open(record, "wb") as f:
        f.write(b"".join(b"1 %060d\0" % n for n in range(2000)))
    for turn in range(1, 4):
        torn_capture(str(turn))
        assert torn_reasons() == ["not-stopped"] and 65000 < os.path.getsize(record) <= 65536
    assert [v["torn_reasons"] for v in versions()] == [["not-stopped"]] * 3 + [[]]


def the_latest_consistent_version(dice):
    """Torn versions came later: `consistent` leaves them out, and run warns when it restores one."""
    os.makedirs("data")
    torn_capture("0")
    assert "no consistent version" in keep("restore", "store", "consistent", "back", status=2)
    keep("run", "store", "data", "--", "sh", "-c", "echo 1 >data/f")
    best = latest()
    assert versions(1)[0]["consistent"], versions(1)
    torn_capture("2")
    assert not versions(1)[0]["consistent"] and latest() == best + 1
    keep("restore", "store", "consistent", "back", "--quiet")
    assert open("back/f").read() == "1\n"
    shutil.rmtree("data")
    out = keep("run", "store", "data", "--", "true")
    assert "version %d, which was restored, is torn" % (best + 1) in out and open("data/f").read() == "2", out
    shutil.rmtree("data")
    keep("restore", "store", "consistent", "data", "--quiet")
    assert "torn" not in keep("run", "store", "data", "--", "true")


# ---- the command line of DiffKeeper
def dk(*arguments, status=0, program=("true",), flags=("--state-dir=data", "--store=store"), **variables):
    return keep(*flags, *arguments, *(("--", *program) if program else ()), status=status,
                env={**os.environ, **{"DIFFKEEPER_" + name: value for name, value in variables.items()}})


def the_flags_of_diffkeeper(dice):
    """CL-1, CL-3, W-79: The program runs, its status is passed on, and the flags win over the variables. What dxkeep does not do, and values that are
    none, are errors that name the flag or variable."""
    said = dk("--debug", program=("sh", "-c", "echo 1 >data/f; exit 7"), status=7)
    assert "watching data" in said and latest() == 2, said
    shutil.rmtree("data")
    dk("-debug=false", "--enable-chunking", "--chunk-size", "4", "--chunk-min=1", "--chunk-avg", "2", "--chunk-max=3", "--dedup-scope=container", "--hash-algo=blake3",
       "--snapshot-interval=10", HASH_ALGO="sha256", CHUNK_THRESHOLD_MB="8", CHUNK_HASH_WINDOW="64", ENABLE_CHUNKING="0")
    assert open("data/f").read() == "1\n", "it was not restored"
    count = latest()
    for words, what in (("--enable-diff=maybe", "neither true nor false"), ("--diff-library=zip", "bsdiff xdelta"), ("--chunk-size=0", "--chunk-size"),
                        ("--chunk-size=4MB", "--chunk-size"), ("--snapshot-interval=0", "--snapshot-interval"), ("--snapshot-interval=33", "from 1 to 32"),
                        ("--hash-algo=sha256", "BLAKE3"), ("--hash-algo=md5", "sha256 blake3"), ("--dedup-scope=cluster", "one machine"), ("--enable-chunking=0", "chunks"),
                        ("--chunk-min=5 --chunk-avg=4", "--chunk-min is more than --chunk-avg"), ("--chunk-max=", "needs a value"), ("--store", "needs a value"),
                        ("--colour", "not a flag"), ("word", "not a flag"), ("--no-exec", "no program is started")):
        assert what in dk(*words.split(), status=1), words
    for name, value in (("ENABLE_DIFF", "2"), ("ENABLE_DIFF", ""), ("DIFF_LIBRARY", "zip"), ("CHUNK_SIZE_MB", "x"), ("CHUNK_MIN_BYTES", "-1"), ("CHUNK_AVG_BYTES", "0"),
                        ("CHUNK_MAX_BYTES", "1e3"), ("CHUNK_HASH_WINDOW", "0"), ("ENABLE_CHUNKING", "false"), ("HASH_ALGO", "sha256"), ("DEDUP_SCOPE", "cluster"),
                        ("SNAPSHOT_INTERVAL", "0"), ("CHUNK_THRESHOLD_MB", "0")):
        assert "DIFFKEEPER_" + name in dk(status=1, **{name: value}), name
    assert "--no-exec" in dk(program=None, status=1)
    assert "--store" in dk(flags=("--state-dir=data",), status=1)
    assert "contains the store" in dk(flags=("--state-dir=data", "--store=data/store"), status=6)
    assert latest() == count


def deltas_as_diffkeeper_asks_for_them(dice):
    """DK-1: One byte of a file changes: stored as a delta, or the whole chunk if there must be none."""
    os.makedirs("data")
    content = bytearray(dice.randbytes(200000))

    def grown(*flags, **variables):
        content[100000] ^= 1
        before = os.path.getsize("store/objects") if os.path.exists("store/objects") else 0
        with open("data/f", "wb") as f:
            f.write(content)
        dk(*flags, **variables)
        keep("restore", "store", "latest", "back", "--force", "--quiet")
        assert open("back/f", "rb").read() == content
        return os.path.getsize("store/objects") - before

    assert grown() > 200000
    for flags, variables, whole in (((), {}, False), (("--enable-diff=false",), {}, True), (("--enable-diff",), {}, False), ((), {"ENABLE_DIFF": "f"}, True),
                                    (("--enable-diff=T",), {"ENABLE_DIFF": "0"}, False), (("--snapshot-interval", "1"), {}, True), (("--snapshot-interval=2",), {}, False),
                                    (("--diff-library=bsdiff",), {}, False), (("--diff-library=xdelta",), {}, False)):
        content[dice.randrange(150000, 200000)] ^= 1
        more = grown(*flags, **variables)
        assert (more > 8192) == whole, (flags, variables, more)


# ---- rows of the requirements: DiffKeeper's behaviour, and its weaknesses
def written(path, content):
    with open(path, "wb") as f:
        f.write(content)


def size_of_log(store="store"):
    return os.path.getsize(store + "/objects")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return (crc ^ 0xffffffff).to_bytes(4, "little")


def bytes_of(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


def a_store_of_a_newer_format_is_refused(dice):
    """DK-2: by every command, with the reason, and not one byte of it changes. Names in DIR have nothing to do with those of the store."""
    os.makedirs("data")
    for name in ("objects", "lock", "index", "keeper", "version", "schema_version"):
        written("data/" + name, dice.randbytes(1000))
    keep("capture", "store", "data")
    assert not difference(seen("data"), restored("latest"))
    shutil.copytree("store", "old")
    for offset, value in ((8, 2), (9, 1), (12, 2), (40, 1)):  # the version, its second byte, a feature, a reserved byte
        shutil.rmtree("store")
        shutil.copytree("old", "store")
        with open("store/objects", "r+b") as f:
            head = bytearray(f.read(128))
            for at in (0, 64):
                head[at + offset] = value
                head[at + 60:at + 64] = crc32c(head[at:at + 60])
            f.seek(0)
            f.write(head)
        before = bytes_of("store")
        for words in ("run store data -- touch started", "daemon store data", "capture store data", "log store", "ls store latest", "cat store latest lock",
                      "diff store 1 latest", "restore store latest new", "export store new.tar", "verify store", "gc store --keep last=1", "pin store latest",
                      "status store", "timeline store"):
            out = keep(*words.split(), status=5)
            assert "written by a newer release" in out, (words, out)
            assert bytes_of("store") == before, (offset, words)
    assert not os.path.exists("started") and not os.path.exists("new") and not os.path.exists("new.tar")


def whole_chunks_and_deltas_continue_each_other(dice):
    """DK-1, DK-3: each start decides anew whether chunks are stored whole (DiffKeeper's schema 1) or as deltas (schema 2). A store of
    one is read and continued by the other, both ways, whatever kills it meanwhile; nothing is converted, so to turn deltas off is the
    roll-back."""
    for first in (0, 1):
        for left in ("store", "data"):
            shutil.rmtree(left, ignore_errors=True)
        os.makedirs("data")
        content, noted = bytearray(dice.randbytes(200000)), {}
        written("data/f", content)
        dk("--enable-diff=false" if first else "--enable-diff")
        for turn in range(6):
            whole = (turn + first) % 2 == 0
            flag = "--enable-diff=false" if whole else "--enable-diff=true"
            process = subprocess.Popen([DXKEEP, "--state-dir=data", "--store=store", flag, "--no-exec", "--debug"], stdin=subprocess.DEVNULL,
                                       stderr=open("log", "ab"))
            for _ in range(dice.randrange(1, 5)):
                content[dice.randrange(50000, 150000)] ^= 1
                written("data/f", content)
                time.sleep(dice.random() * 0.2)
            process.kill()
            process.wait()
            for more in range(2):
                content[dice.randrange(50000, 150000)] ^= 1
                written("data/f", content)
                before = size_of_log()
                dk(flag)
                grown = size_of_log() - before
                noted[latest()] = seen("data")
            assert (grown > 8192) == whole, (flag, grown)
        all_as_noted(noted)
        for flag in ("--enable-diff=false", "--enable-diff"):
            shutil.rmtree("data")
            dk(flag)
            assert open("data/f", "rb").read() == content, "restored by " + flag


def depths_of_deltas():
    """How many deltas lead to each object that is stored as one: docs/formats/cas.md, sections 5 and 16."""
    raw = open("store/objects", "rb").read()
    return [raw[at.start() + 64 + 32] for at in re.finditer(rb"DXCR\x01\x02", raw)]


def when_a_chunk_is_stored_whole(dice):
    """DK-5, W-70: in the first version, when a delta would not be smaller, and when the chunk before it is damaged. In all other
    versions it is a delta, and each is the content of its time. After --snapshot-interval - 1 deltas in a row the next one is made
    of an earlier version, so that no restore needs more."""
    content = bytearray(dice.randbytes(7000))

    def is_whole(*flags):
        before = size_of_log() if os.path.exists("store") else 0
        written("data/f", content)
        dk(*flags)
        noted[latest()] = seen("data")
        return size_of_log() - before > 7000

    for interval in (1, 2, 4, 16, 32, 0):
        for left in ("store", "data"):
            shutil.rmtree(left, ignore_errors=True)
        os.makedirs("data")
        found, noted = [], {}
        for _ in range(36 if interval == 32 else 20):
            found.append(is_whole(*["--snapshot-interval=%d" % interval] if interval else []))
            content[dice.randrange(7000)] ^= 1
        assert found == ([True] * 20 if interval == 1 else [True] + [False] * (len(found) - 1)), (interval, found)
        assert max(depths_of_deltas(), default=0) == (interval or 16) - 1, (interval, depths_of_deltas())
        all_as_noted(noted)
    content[:] = dice.randbytes(7000)
    assert is_whole(), "a delta of other content"
    content[100] ^= 1
    assert not is_whole()
    content[200:210] = b"0123456789"
    shutil.rmtree("store")
    noted.clear()
    is_whole()
    raw = open("store/objects", "rb").read()
    at = raw.find(content[3000:3050])
    assert at > 0 and raw.find(content[3000:3050], at + 1) < 0
    with open("store/objects", "r+b") as f:
        f.seek(at)
        f.write(bytes([raw[at] ^ 1]))
    content[300] ^= 1
    assert is_whole(), "a delta of what cannot be read"
    assert restored("latest")["f"] == seen("data")["f"]
    keep("restore", "store", "1", "none", status=4)


def a_restore_stays_in_its_directory(dice):
    """DK-9: names such as ../x and /x are refused, also in a store that somebody has made for it; links are restored as links, and never
    followed, neither while capturing nor while restoring."""
    craft = os.path.join(top, "build/dxup_craft")
    done = subprocess.run(["make", "-C", top, "-s", "build/dxup_craft"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    os.makedirs("outside/d")
    for name in ("outside/secret", "outside/d/secret"):
        written(name, b"mine")
    before = seen("outside")
    for case in ("name-up", "name-dot", "name-slash", "name-root", "name-zero", "name-empty", "name-long", "link-and-dir"):
        shutil.rmtree("store", ignore_errors=True)
        subprocess.run([craft, "store", "dir", case], check=True)
        keep("restore", "store", "latest", "back", status=4)
        keep("export", "store", "back", "--torn", status=4)
        keep("run", "store", "back", "--", "touch", "started", status=4)
        assert not os.path.exists("back") and not os.path.exists("started"), case
    shutil.rmtree("store")
    os.makedirs("data/d")
    written("data/d/secret", b"stored")
    keep("capture", "store", "data")
    shutil.rmtree("data/d")
    for name, target in (("data/d", "../outside/d"), ("data/up", "../../../../outside"), ("data/root", os.path.abspath("outside")), ("data/f", "../outside/secret")):
        os.symlink(target, name)
    keep("capture", "store", "data")
    assert set(restored("latest")) == {"", "d", "up", "root", "f"}, "a link was followed"
    for moment in ("1", "2", "1"):  # where the version has a directory, the target has a link, and the other way
        keep("restore", "store", moment, "data", "--force")
        assert os.path.islink("data/d") == (moment == "2") and not difference(before, seen("outside")), moment
    keep("restore", "store", "2", "data", "--force")
    for path in ("../outside", "/etc", "d/secret", "up/secret", "..", "a/../d"):
        keep("restore", "store", "latest", "part", "--path", path, status=2 if path in ("d/secret", "up/secret") else 1)
        assert not os.path.exists("part"), path
    assert "part is as it was" in keep("restore", "store", "latest", "part", "--path", "")
    assert not difference(seen("data"), seen("part"))
    for path in ("../outside/secret", "/etc/passwd", "up/secret"):
        assert "mine" not in keep("cat", "store", "latest", path, status=2 if path[0] == "u" else 1), path
    assert not difference(before, seen("outside"))


def a_store_that_cannot_be_written(dice):
    """DK-10: a full or read-only disk, or the store of another user, is said at once and not at the first change: the program is not
    started, though nothing has changed that would have to be stored."""
    os.makedirs("data")
    written("data/f", b"1")

    def refused(why, *prefix):
        for words, end in (("run disk/store data -- touch started", "the program was not started"), ("daemon disk/store data", "nothing is captured")):
            done = subprocess.run([*prefix, DXKEEP, *words.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=PATIENCE)
            out = done.stdout.decode()
            assert done.returncode == 5 and "disk/store cannot be written: " + why in out and end in out and out.count("\n") == 1, (words, done.returncode, out)
        assert not os.path.exists("started") and "probe" not in os.listdir("disk/store")

    with mounted("disk"):
        keep("capture", "disk/store", "data")
        keep("run", "disk/store", "data", "--", "true")
        before = bytes_of("disk/store")
        subprocess.run(["mount", "-o", "remount,size=1m", "disk"], check=True)
        with contextlib.suppress(OSError), open("disk/filler", "wb", buffering=0) as f:
            while f.write(bytes(4096)):
                pass
        refused("No space left on device")
        os.unlink("disk/filler")
        subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)
        refused("Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", "disk"], check=True)
        if shutil.which("setpriv"):
            for name in (DXKEEP, os.getcwd()):
                assert os.stat(name).st_mode & 5 == 5, name
            refused("Permission denied", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        assert bytes_of("disk/store") == before
        keep("run", "disk/store", "data", "--", "sh", "-c", "echo 2 >data/f")
        assert b"2\n" == subprocess.run([DXKEEP, "cat", "disk/store", "latest", "f"], stdout=subprocess.PIPE).stdout


def content_under_a_known_hash_is_compared(dice):
    """CA-5: with --paranoid. A capture of content that the store has, damaged behind its hash, fails; without it nobody looks. In a sound
    store it makes the same versions in as many bytes."""
    os.makedirs("data")
    content = dice.randbytes(300000)
    text = b"".join(b"line %d\n" % dice.randrange(100) for _ in range(40000))  # compressed
    written("data/f", content)
    written("data/text", text)
    for store, more in (("store", ()), ("sound", ("--paranoid",))):
        keep("capture", store, "data", *more)
    for turn in range(4):  # known content, new content, deltas, and what is only half new
        written("data/again%d" % turn, content[:200000 + turn] + text)
        for store, more in (("store", ()), ("sound", ("--paranoid",))):
            keep("capture", store, "data", *more)
    assert abs(size_of_log() - size_of_log("sound")) < 4096, (size_of_log(), size_of_log("sound"))
    keep("restore", "sound", "latest", "back", "--quiet")
    assert not difference(seen("data"), seen("back"))
    raw = open("sound/objects", "rb").read()
    at = raw.find(content[150000:150050])
    assert at > 0
    with open("sound/objects", "r+b") as f:
        f.seek(at)
        f.write(bytes([raw[at] ^ 1]))
    written("data/once more", content)
    count = len(keep("log", "sound").splitlines())
    for words in ("capture sound data --paranoid", "run sound data --paranoid -- touch started", "daemon sound data --paranoid"):
        assert "other content under the hash" in keep(*words.split(), status=4), words
    assert not os.path.exists("started") and len(keep("log", "sound").splitlines()) == count
    keep("capture", "sound", "data")
    assert len(keep("log", "sound").splitlines()) == count + 1
    keep("verify", "sound", status=4)
    written("data/gone", dice.randbytes(400000))  # of which no version captured below needs anything
    keep("capture", "store", "data")
    os.unlink("data/gone")
    refused = []
    for turn in range(40):  # whatever is damaged: a version that was captured can be restored
        shutil.rmtree("hurt", ignore_errors=True)
        shutil.copytree("store", "hurt")
        raw = bytearray(open("hurt/objects", "rb").read())
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        written("hurt/objects", raw)
        done = subprocess.run([DXKEEP, "capture", "hurt", "data", "--name", "other", "--paranoid"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        refused.append(done.returncode == 4)
        assert done.returncode in (0, 4), done
        if not done.returncode:
            keep("restore", "hurt", "latest", "back", "--name", "other", "--force", "--quiet")
            assert not difference(seen("data"), seen("back"))
    assert 10 < sum(refused) < 40, refused


def what_a_fingerprint_would_spare_is_compared(dice):
    """CA-5: a daemon with --paranoid compares all of a large file of which a part has changed; without, it does not read the rest again."""
    for paranoid in (False, True):
        for left in ("store", "data", "log"):
            subprocess.run(["rm", "-rf", left], check=True)
        os.makedirs("data")
        process = start("--scan-s", "0", *["--paranoid"] * paranoid)
        try:
            wait_for("the start", lambda: said("watching"), process)
            last = damage_a_chunk_that_stays(dice, process)
            if paranoid:
                wait_for("its refusal", lambda: said("other content under the hash"), process)
                assert latest() == last and process.poll() is None
            else:
                wait_for("a version", lambda: latest() > last, process)
        finally:
            process.kill()
            process.wait()


def damage_a_chunk_that_stays(dice, process):
    """A large file is captured twice, damaged in the store, and changed once more at another place. Returns the last version before."""
    content = bytearray(dice.randbytes(3000000))
    written("new", content)
    before = latest()
    os.rename("new", "data/f")
    wait_for("a version", lambda: latest() > before, process)
    before = latest()

    def change(at):
        content[at] ^= 1
        with open("data/f", "r+b") as f:
            f.seek(at)
            f.write(content[at:at + 1])

    change(2)
    wait_for("a version", lambda: latest() > before, process)
    raw = open("store/objects", "rb").read()
    at = raw.find(content[2000000:2000050])
    assert at > 0
    with open("store/objects", "r+b") as f:
        f.seek(at)
        f.write(bytes([raw[at] ^ 1]))
    before = latest()
    change(5)
    return before


def every_damaged_byte_is_found(dice):
    """MK-4, CL-7: one byte of the log is another: in content as it is, compressed, or stored as a delta, in directories, headers, commits.
    verify reads all of it again; a restore is what it was, or fails and writes nothing."""
    os.makedirs("data/d")
    content = bytearray(dice.randbytes(60000))
    written("data/text", b"".join(b"line %d\n" % dice.randrange(1000) for _ in range(20000)))
    for turn in range(3):
        content[dice.randrange(60000)] ^= 1
        written("data/f", content)
        written("data/d/%d" % turn, dice.randbytes(100))
        keep("capture", "store", "data")
    os.unlink("store/index")
    expected, raw = seen("data"), open("store/objects", "rb").read()
    found = 0
    for turn in range(80):
        at = dice.randrange(len(raw))
        with open("store/objects", "r+b") as f:
            f.seek(at)
            f.write(bytes([raw[at] ^ 1 << dice.randrange(8)]))
        if turn % 8 == 0:
            with open("store/objects", "r+b") as f:  # cut
                f.truncate(at)
        shutil.rmtree("back", ignore_errors=True)
        done = subprocess.run([DXKEEP, "verify", "store"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        restore = subprocess.run([DXKEEP, "restore", "store", "3", "back"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode in (0, 2, 4) and restore.returncode in (0, 2, 4), (at, done, restore)
        assert restore.returncode or not difference(expected, seen("back")), "byte %d: it is another directory" % at
        assert not restore.returncode or not os.path.exists("back"), at
        assert not restore.returncode or done.returncode or turn % 8 == 0, "byte %d: verify has not found it: %r" % (at, done.stdout)
        found += done.returncode != 0
        written("store/objects", raw)
    assert found > 60, "%d of 80" % found
    assert "is sound" in keep("verify", "store")


def a_store_without_a_part(dice):
    """CL-7 (bucket error): what only makes things faster, or is for status, may be missing or be nonsense; the rest is named."""
    os.makedirs("data")
    written("data/f", dice.randbytes(50000))
    keep("run", "store", "data", "--", "true")
    keep("pin", "store", "1")
    expected, parts = seen("data"), sorted(os.listdir("store"))
    assert len(parts) >= 5, parts
    shutil.copytree("store", "old")
    for part in parts:
        for nonsense in (None, b"", b"nonsense", dice.randbytes(5000)):
            shutil.rmtree("store")
            shutil.copytree("old", "store")
            os.unlink("store/" + part)
            if nonsense is not None:
                written("store/" + part, nonsense)
            if part == "objects":
                out = keep("restore", "store", "latest", "back", "--force", status=4 if nonsense else 2)
                assert ("is damaged" if nonsense else "is not a store") in out, out
                continue
            if part == "pins" and nonsense:
                assert "store/pins is damaged" in keep("log", "store", status=4)
                out = keep("verify", "store", status=4)
                assert "store/pins is damaged" in out and "sound" not in out, out
            assert not difference(expected, restored("latest")), part
            written("data/g", dice.randbytes(10))
            keep("capture", "store", "data")
            assert not difference(seen("data"), restored("latest")), part
            os.unlink("data/g")
    shutil.rmtree("store")
    keep("capture", "store", "data")
    torn = ["store/" + part for part in os.listdir("store") if part.startswith("torn-")]
    os.unlink(torn[0])
    os.mkdir(torn[0])  # reading it fails
    assert torn[0] in keep("log", "store") and torn[0] in keep("status", "store")


def bytes_in(folder):
    return {name: written for name in os.listdir(folder) for written in [open(os.path.join(folder, name), "rb").read()] if written}


def a_store_that_has_lost_versions(dice):
    """The log was cut off, is empty or missing, and the index or the pins know of more: nothing is captured and no program is started, so
    that no number is used again; readers say that the latest versions are lost."""
    os.makedirs("data")
    for turn in range(4):
        written("data/f", dice.randbytes(1000))
        keep("capture", "store", "data")
    keep("pin", "store", "2")
    for name in os.listdir("store"):  # a store without the caches
        if name.startswith(("seen-", "torn-")):
            os.unlink("store/" + name)
    os.rename("store", "whole")
    size = size_of_log("whole")
    for left in (None, 0, 64, 128, *(dice.randrange(130, size) for _ in range(12))):
        for trace in ("index", "pins", "both"):
            if (left or 0) >= 128 and trace == "pins":
                continue  # without the index, what is left is accepted
            shutil.rmtree("store", ignore_errors=True)
            shutil.copytree("whole", "store")
            if trace != "both":
                os.unlink("store/" + {"index": "pins", "pins": "index"}[trace])
            if left is None:
                os.unlink("store/objects")
            else:
                os.truncate("store/objects", left)
            before = bytes_in("store")
            commands = ("capture store data", "run store empty -- touch started", "run store data -- touch started", "record store --dir data -- touch started",
                        "daemon store data")
            for command in commands:
                shutil.rmtree("empty", ignore_errors=True)
                os.mkdir("empty")
                out = keep(*command.split(), status=4)
                assert "is damaged" in out and "store/objects" in out and not os.path.exists("started"), (left, trace, command, out)
                assert (left or 0) >= 128 or "tells of versions" in out, out
            assert (left or 0) < 128 or "ends before versions" in out, (left, out)
            assert before == bytes_in("store"), (left, trace)
            if (left or 0) < 128:
                continue
            done = subprocess.run([DXKEEP, "log", "store"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode in (0, 2) and done.stdout.count(b"the latest versions are lost") == 1, (left, done)
            if done.returncode:
                continue
            for command in ("status store", "restore store latest back --force", "ls store latest", "timeline store", "cat store latest f", "export store out.tar --torn --force"):
                out = keep(*command.split())
                assert out.count("the latest versions are lost") == 1, (command, out)
    shutil.rmtree("store")
    shutil.copytree("whole", "store")
    for command in ("status store", "restore store latest back --force", "ls store latest", "capture store data"):
        assert "lost" not in keep(*command.split()), command
    process = start("--quiet-ms", "1", "--hold-ms", "1")  # readers beside a writer: its commits are no loss
    for turn in range(60):
        written("data/f", b"%d" % turn)
        assert "lost" not in keep("log", "store", "--limit", "1")
    stop(process)


def files_of_a_store_that_are_none(dice):
    """The store is hostile: whichever of its files is a symbolic link, a fifo or a directory, also one that dxkeep is about to make,
    nothing outside of the store is read as part of it, written or made, and no command waits for a fifo."""
    os.makedirs("data")
    written("data/f", dice.randbytes(3000))
    written("data/old", b"1")
    os.utime("data/old", (1e9, 1e9))
    keep("run", "old", "data", "--quiet", "--", "true")
    keep("pin", "old", "1")
    time.sleep(2.1)  # what the cache of files begins with
    written("data/f", dice.randbytes(3000))
    keep("capture", "old", "data")
    written("data/f", dice.randbytes(3000))
    parts = sorted(os.listdir("old"))
    seen_name, torn_name = ([p for p in parts if p.startswith(start)][0] for start in ("seen-", "torn-"))
    parts += ["keeper", "probe", "objects.new", "index.new", "pins-new", torn_name + "-new", seen_name + "-new", seen_name + ".new", "seen-new"]
    commands = ("log s", "status s", "verify s", "ls s latest", "restore s latest back --force", "capture s data", "run s data -- true", "pin s 2", "gc s --keep last=1")
    done = {}
    for part in dict.fromkeys(parts):
        for kind in ("link", "dangling", "fifo", "directory"):
            for command in commands:
                shutil.rmtree("s", ignore_errors=True)
                shutil.copytree("old", "s")
                shutil.rmtree("outside", ignore_errors=True)
                os.mkdir("outside")
                written("outside/victim", b"precious")
                if os.path.exists("s/" + part):
                    os.unlink("s/" + part)
                if kind == "fifo":
                    os.mkfifo("s/" + part)
                elif kind == "directory":
                    os.mkdir("s/" + part)
                else:
                    os.symlink("../outside/" + {"link": "victim", "dangling": "new"}[kind], "s/" + part)
                done[part, kind, command] = code = subprocess.run([DXKEEP, *command.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                                                 timeout=PATIENCE).returncode
                assert code in (0, 2, 4, 5, 6), (part, kind, command, code)
                assert os.listdir("outside") == ["victim"] and open("outside/victim", "rb").read() == b"precious", (part, kind, command, code)
                if part in ("objects", "index"):
                    assert code == 4, (part, kind, command, code)
    assert sum(code == 0 for code in done.values()) > len(done) / 2, done
    os.rename("old", "elsewhere")
    os.symlink("elsewhere", "old")  # the store itself may be a link
    keep("capture", "old", "data")
    keep("verify", "old")


def names_that_cannot_be_read(dice):
    """One reading of a directory fails, whichever: the version, or what is restored, is right, or the status is not 0. A capture tries it
    again on another thread, which must not go on where the first one has ended."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = build_shim("names.so", "tests/programs/dxkeep_names.c")
    for at in range(20):
        os.makedirs("data/d%d" % (at % 3), exist_ok=True)
        written("data/d%d/%d" % (at % 3, at), dice.randbytes(10))
        written("data/%d" % at, b"1")
    keep("capture", "first", "data")
    os.rename("data", "expected")
    os.makedirs("empty")
    os.makedirs("old/d")
    shutil.copytree("old", "data")
    keep("record", "recorded", "--dir", "data", "--", "cp", "-a", "expected/.", "data")
    os.rename("data", "replayed")
    clones = ("cp", "-a", "--reflink=auto")
    commands = {"capture": ("capture", "store", "data"), "restore": ("restore", "store", "latest", "back", "--force"),
                "missing": ("restore", "store", "latest", "missing"),
                "replay": ("replay", "recorded", "2", "data"), "run": ("run", "store", "data", "--quiet", "--", "env", "-u", "LD_PRELOAD", "sh", "-c", "cp -a data started")}
    good = dict.fromkeys(commands, 0)
    for name, command in commands.items():
        at, hit = 0, True
        while hit:
            at += 1
            for place in ("data", "store", "back", "missing", "started", "hit"):
                subprocess.run(["rm", "-rf", place])
            subprocess.run([*clones, "first", "store"], check=True)
            subprocess.run([*clones, {"run": "empty", "replay": "old"}.get(name, "expected"), "data"], check=True)
            if name == "restore":
                subprocess.run([*clones, "old", "back"], check=True)
            done = subprocess.run([DXKEEP, *command], env={**preloaded(shim), "DX_NAMES_AT": str(at), "DX_NAMES_OUT": os.path.abspath("hit")},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            hit = os.path.exists("hit")
            if done.returncode:
                assert done.returncode > 1 and b"dxkeep: : " not in done.stdout and b": Input/output error" in done.stdout, (name, at, done)
            if name == "restore" and done.returncode:
                assert not difference(seen("old"), seen("back")) or not difference(seen("expected"), seen("back")), (at, done)
                keep(*command)  # it completes what it has begun
                assert not difference(seen("expected"), seen("back")), (at, done)
                assert not [left for left in os.listdir(".") if "dxup" in left], (at, os.listdir("."))
            if name == "replay" and done.returncode:
                if b"could not be removed" in done.stdout:
                    shutil.rmtree("data/.dxkeep-replay")
                else:
                    keep(*command)
                assert not difference(seen("replayed"), seen("data")), (at, done)
            if done.returncode:
                continue
            good[name] += hit
            out = {"replay": "data", "capture": "again", "restore": "back", "missing": "missing", "run": "started"}[name]
            if name in ("capture", "run"):
                keep("restore", "store", "latest", "again", "--force", "--quiet")
                assert not difference(seen("expected"), seen("again")), (name, at, done)
            if name == "run":
                assert "d1" in os.listdir("started"), (at, done)
            assert not difference(seen("replayed" if name == "replay" else "expected"), seen(out)), (name, at, done)
    assert good["capture"], good


def files_around_the_size_of_a_chunk(dice):
    """CK-4, CL-7 (empty, large): a file is cut if it is larger than a chunk, strictly; every size is restored. DiffKeeper's threshold
    changes nothing, so that stores share chunks."""
    port, count = free_port(), 0
    for threshold in ("1", "1024"):
        os.makedirs("data")
        sizes = [0, 1, 8191, 8192, 8193, 131071, 131072, 131073, 262144, 262145, 1 << 20, (1 << 20) + 1]
        for size in sizes:
            written("data/%d" % size, b"x" * size)  # content without a place to cut: only the maximum does
            os.utime("data/%d" % size, ns=(10**18, 10**18))  # other times have other sizes in the store
        os.utime("data", ns=(10**18, 10**18))
        process = subprocess.Popen([DXKEEP, "--state-dir=data", "--store=store%s" % threshold, "--metrics-addr", "127.0.0.1:%d" % port, "--", "sleep", "1000"],
                                   stdin=subprocess.DEVNULL, stderr=open("log", "ab"), env={**os.environ, "DIFFKEEPER_CHUNK_THRESHOLD_MB": threshold})
        wait_for("a capture", lambda: metrics_or_none(port).get('capture_total{result="success"}'), process)
        told = metrics(port)["large_files_total"]
        assert told == len([size for size in sizes if size > 131072]), (told, metrics(port)["large_files_total"], metrics(port))
        stop(process, status=128 + signal.SIGTERM)
        keep("restore", "store%s" % threshold, "latest", "back%s" % threshold, "--quiet")
        assert not difference(seen("data"), seen("back" + threshold))
        shutil.rmtree("data")
    assert size_of_log("store1") == size_of_log("store1024")


def a_daemon_ends_gracefully(dice):
    """CL-5: on SIGTERM and SIGINT it captures what has changed until then, also in the middle of a capture, and ends with 0."""
    os.makedirs("data")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process = start("--quiet-ms", "60000", "--hold-ms", "60000", "--scan-s", "0")
        wait_for("the start", lambda: the_log().rstrip().endswith("watching data"), process)
        written("data/f", dice.randbytes(3000000))
        time.sleep(dice.random() * 0.1)
        stop(process, number)
        assert not difference(seen("data"), restored("latest")), number
    process = start("--quiet-ms", "1", "--hold-ms", "1")
    wait_for("the start", lambda: the_log().rstrip().endswith("watching data"), process)
    written("data/f", dice.randbytes(30000000))
    time.sleep(0.05)
    stop(process)
    assert not difference(seen("data"), restored("latest"))


def what_has_not_changed_is_not_stored(dice):
    """W-80, CL-7 (no change, no delta): neither content that was written again, nor that of a file with another name, time or mode; and a
    capture that finds nothing adds no version."""
    os.makedirs("data")
    content = dice.randbytes(3000000)
    written("data/f", content)
    keep("capture", "store", "data")
    before = size_of_log()

    def after(what, change, versions_added=1):
        nonlocal before
        count = latest()
        change()
        told = json.loads(keep("capture", "store", "data", "--json"))
        assert latest() == count + versions_added and told["unchanged"] == (versions_added == 0), what
        assert size_of_log() - before == told["added"] < 4000 * versions_added + 1, (what, told)
        assert not difference(seen("data"), restored("latest"))
        before = size_of_log()

    info = os.stat("data/f")
    after("nothing", lambda: None, 0)
    after("written again", lambda: written("data/f", content))
    after("another time", lambda: os.utime("data/f", ns=(1, 1)))
    after("the first time again", lambda: os.utime("data/f", ns=(info.st_atime_ns, info.st_mtime_ns)))
    after("another mode", lambda: os.chmod("data/f", 0o600))
    after("another name", lambda: os.rename("data/f", "data/g"))
    after("a copy", lambda: shutil.copy("data/g", "data/copy"))
    after("nothing", lambda: None, 0)


def a_large_file_in_little_memory(dice):
    """W-78: a file is never read as a whole; memory does not grow with it, neither for a capture, nor for one with deltas, nor for a
    restore."""
    if "asan" in DXKEEP:
        raise Skip("the sanitizer takes memory of its own")
    os.makedirs("data")

    def memory_of(*words):
        # By a small process: what this one has before the exec counts, too.
        script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", script, DXKEEP, *words, "--quiet", "--workers", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert done.returncode == 0, words
        return int(done.stdout)  # KiB

    most = {}
    for megabytes in (16, 256):
        block = dice.randbytes(1 << 20)
        with open("data/f", "wb") as f:
            for at in range(megabytes):
                f.write(at.to_bytes(8, "little") + block[8:])
        made = memory_of("capture", "store%d" % megabytes, "data")
        with open("data/f", "r+b") as f:
            for at in range(0, megabytes << 20, 1 << 16):
                f.seek(at + 1000)
                f.write(b"changed")
        changed = memory_of("capture", "store%d" % megabytes, "data")
        most[megabytes] = (made, changed, memory_of("restore", "store%d" % megabytes, "latest", "back", "--force"))
        assert seen("back")["f"] == seen("data")["f"]
    assert max(most[256]) < 60000, most
    assert all(large < small + 20000 for small, large in zip(most[16], most[256])), most


def many_small_changes(dice):
    """W-70, W-77, W-82, DK-7: a hundred versions of a file of 512 KiB, one byte changes in each. The store does not grow with the size of
    the file, all versions can be restored, and a restore tells how many entries it has made."""
    os.makedirs("data/d")
    content, contents = bytearray(dice.randbytes(512 << 10)), {}
    for i in range(10):
        written("data/d/%d" % i, b"%d" % i)
    process = start("--quiet-ms", "1", "--hold-ms", "1", "--scan-s", "0")
    for i in range(100):
        content[dice.randrange(len(content))] ^= 1 + dice.randrange(255)
        written("data/new", content)
        os.rename("data/new", "data/f")
        wait_for("a version", lambda: subprocess.run([DXKEEP, "cat", "store", "latest", "f"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout == content, process)
        contents[latest()] = bytes(content)
        if i == 0:
            first = size_of_log()
    stop(process)
    assert size_of_log() < 3 * first, (first, size_of_log())
    for version, content in contents.items():
        told = json.loads(keep("restore", "store", str(version), "back", "--force", "--json"))
        assert open("back/f", "rb").read() == content, version
        assert told["entries"] == len(seen("back")) - 1 == 12 and told["ms"] < 1000 * PATIENCE, told
    assert "12 entries" in keep("restore", "store", "latest", "back", "--force")


def the_named_tests_of_diffkeeper(dice):
    """CL-7: for each test that DiffKeeper's document names, the cases here, which exist."""
    cases = {case.__name__ for case in CASES}
    for name, ours in NAMED_BY_DIFFKEEPER.items():
        assert ours and set(ours.split()) <= cases, (name, set(ours.split()) - cases)


NAMED_BY_DIFFKEEPER = {
    "compress and decompress": "every_damaged_byte_is_found content_under_a_known_hash_is_compared",
    "lifecycle": "what_is_missing_is_made the_program_and_its_status a_daemon_ends_gracefully",
    "restore of several files": "a_missing_directory_is_restored any_version_is_what_the_directory_was",
    "no change, no delta": "what_has_not_changed_is_not_stored what_is_unchanged_is_not_read",
    "subdirectory": "any_version_is_what_the_directory_was a_part_of_a_version",
    "large files": "a_large_file_in_little_memory a_large_file_that_never_rests_is_read_at_rest files_around_the_size_of_a_chunk",
    "permission errors": "what_must_not_be_read a_store_that_cannot_be_written",
    "watch loop, changes": "notified_changes_need_no_scan only_what_changed_is_looked_at",
    "watch loop, new directories": "any_version_is_what_the_directory_was notified_changes_need_no_scan",
    "watch loop, lost events": "events_that_were_lost_lead_to_a_scan mapped_files_are_found",
    "watch loop, its end": "a_daemon_ends_gracefully a_program_that_ends_at_any_moment",
    "close of nothing": "a_store_that_cannot_be_made what_is_refused",
    "bucket error": "a_store_without_a_part a_store_of_a_newer_format_is_refused",
    "decompress error": "every_damaged_byte_is_found commands_on_a_damaged_store",
    "empty": "files_around_the_size_of_a_chunk a_missing_directory_is_restored",
    "outside of the state directory": "a_restore_stays_in_its_directory",
    "corrupted data": "damage_is_found every_damaged_byte_is_found a_mount_of_a_damaged_store",
    "large content, compressed": "a_changed_file_has_the_chunks_of_a_new_one content_under_a_known_hash_is_compared",
    "read-only": "a_store_that_cannot_be_written",
    "end to end": "a_database_at_every_version killed_at_any_moment random_moments_equal_plain_copies",
    "migration": "whole_chunks_and_deltas_continue_each_other",
    "chain": "when_a_chunk_is_stored_whole many_small_changes",
    "chunking": "files_around_the_size_of_a_chunk a_changed_file_has_the_chunks_of_a_new_one",
    "Merkle": "every_damaged_byte_is_found",
    "deduplication": "what_has_not_changed_is_not_stored",
    "interval": "when_a_chunk_is_stored_whole deltas_as_diffkeeper_asks_for_them",
}


def free_port():
    """One that no other program is given meanwhile: below the ports that the system hands out."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


def ask(port, request, patience=10):
    """The answer to raw bytes, which may be a bad request or none; until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), patience) as s:
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(request), 700):
                s.sendall(request[at:at + 700])
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while more := s.recv(65536):
                found += more
    return found.decode()


def metrics(port):
    head, body = ask(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 200 ") and "\r\nContent-Length: %d\r\n" % len(body) in head, head
    lines = body.splitlines()
    helps = {line.split()[2] for line in lines if line.startswith("# HELP ")}
    assert helps == {line.split()[2] for line in lines if line.startswith("# TYPE ")} and len(helps) == 23, helps
    return {name.removeprefix("diffkeeper_"): float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def metrics_of_a_run(dice):
    """CL-6: They equal what was done, also while clients send too much, too little, or nothing at all."""
    os.makedirs("data")
    content = bytearray(dice.randbytes(300000))
    with open("data/large", "wb") as f:
        f.write(content)
    open("data/small", "w").close()
    keep("capture", "store", "data")
    shutil.rmtree("data")
    port = free_port()
    process = subprocess.Popen([DXKEEP, "--state-dir=data", "--store=store", "--metrics-addr", "127.0.0.1:%d" % port, "--", "sleep", "1000"], stderr=open("log", "ab"))
    wait_for("a capture", lambda: os.path.exists("data/small") and metrics_or_none(port).get('capture_total{result="success"}'), process)
    first = metrics(port)
    assert first["up"] == 1 and any(name.startswith("agent_info{") for name in first)
    assert first['recovery_total{result="success"}'] == 1 and first["recovery_duration_seconds_count"] == 1 and first["recovery_duration_seconds_sum"] > 0
    assert first["files_tracked"] == 2 and first["store_size_bytes"] == os.path.getsize("store/objects"), first
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]  # each is given up after two seconds
    content[150000] ^= 1
    with open("data/large", "wb") as f:
        f.write(content)
    wait_for("a version", lambda: latest() == 2 and metrics(port)["chunk_total"] > first["chunk_total"], process)
    last = metrics(port)
    assert last["large_files_total"] == first["large_files_total"] + 1 and last["deltas_total"] > first["deltas_total"], last
    assert last['capture_total{result="success"}'] == last["capture_duration_seconds_count"] > first["capture_duration_seconds_count"]
    pauses = [last['dxkeep_pause_seconds_bucket{le="%s"}' % limit] for limit in ("0.001", "0.01", "0.1", "1", "+Inf")]
    assert pauses == sorted(pauses) and pauses[-1] == last["dxkeep_pause_seconds_count"] > first["dxkeep_pause_seconds_count"] == 0, last
    assert 0 < last["dxkeep_pause_seconds_sum"] < 50, last
    newest = versions(1)[0]
    assert last["dxkeep_last_version"] == 2 and abs(last["dxkeep_last_version_timestamp_seconds"] - newest["time_ns"] / 1e9) < 0.01, (last, newest)
    assert last["dxkeep_last_version_consistent"] == newest["consistent"] and not last["dxkeep_last_capture_failed"] and last["dxkeep_lag_seconds"] < 5, last
    assert abs(last["dxkeep_store_free_bytes"] - shutil.disk_usage("store").free) < 1 << 30, last
    import resource
    limit = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (os.path.getsize("store/objects") + 100000, resource.RLIM_INFINITY))
    with open("data/big", "wb") as f:
        f.write(dice.randbytes(3000000))
    wait_for("a failure", lambda: metrics(port)["dxkeep_last_capture_failed"] and metrics(port)["dxkeep_lag_seconds"] > 0.5, process)
    assert metrics(port)['capture_total{result="failure"}'] > 0 and metrics(port)["dxkeep_last_version"] == 2
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
    wait_for("a version", lambda: metrics(port)["dxkeep_last_version"] == 3 and not metrics(port)["dxkeep_lag_seconds"], process)
    assert last["storage_saved_bytes"] > 290000 and 0 < last["storage_saved_ratio"] < 1 and 0 < last["chunk_dedup_ratio"] < 1, last
    for request, status in ((b"POST /metrics HTTP/1.1\r\n\r\n", 405), (b"GET / HTTP/1.1\r\n\r\n", 404), (b"GET /metrics/x HTTP/1.0\r\n\r\n", 404),
                            (b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 4000, 431), (b"\0" * 50 + b"\n", 400), (b"\r\n\r\n", 400),
                            (b"\r\nGET /metrics HTTP/1.1\r\n\r\n", 400), (b"GET /metrics HTTP/2.0\r\n\r\n", 505), (b"GET /metrics", 408),
                            (b"GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 413), (b"GET metrics HTTP/1.1\r\n\r\n", 400),
                            (b"GET /metrics?a=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200)):
        answer = ask(port, request)
        assert not answer or answer.startswith("HTTP/1.1 %d " % status), (request[:40], answer)
    assert "already in use" in dk("--metrics-addr=127.0.0.1:%d" % port, flags=("--state-dir=other", "--store=other.store"), status=5).lower()
    assert ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n").endswith("\r\n\r\n")
    stop(process, status=128 + signal.SIGTERM)
    for one in idle:
        one.close()
    for address in ("1", ":0", ":65536", "a b:80", "%s:80" % ("x" * 300), "::1:80", "[::1:80", "127.0.0.1:", "127.0.0.1:x"):
        assert "--metrics-addr" in dk("--metrics-addr=" + address, status=1), address


def metrics_or_none(port):
    """At the start: it does not listen yet, or has no store, whose free space it would tell."""
    try:
        return metrics(port)
    except (OSError, AssertionError):
        return {}


def slow_captures_leave_no_long_gaps(dice):
    """A capture waits a second, as for a disk. It is followed by another one soon, because it uses no processor."""
    os.makedirs("data")
    process = start("--hold-ms", "100", "--after-capture", "sleep 1")
    wait_for("a version", lambda: latest() == 1, process)
    began, count = time.monotonic(), 0
    try:
        while latest() < 4:
            with open("data/f", "w") as f:
                f.write("%d" % count)
            count += 1
            time.sleep(0.05)
            assert time.monotonic() - began < 24, "%d versions after %d s:\n%s" % (latest(), time.monotonic() - began, the_log())
    finally:
        process.terminate()
        process.wait(PATIENCE)


def a_second_dxkeep_waits_for_the_first(dice):
    """DK-10: For a second: then the first may have ended, or the second is refused."""
    os.makedirs("data")
    first = start()
    wait_for("a version", lambda: latest() == 1, first)
    began = time.monotonic()
    assert "another process" in dk(status=6)
    assert time.monotonic() - began >= 1
    second = subprocess.Popen([DXKEEP, "--state-dir=data", "--store=store", "--", "true"], stderr=open("log", "ab"))
    time.sleep(0.2)
    stop(first)
    assert second.wait(PATIENCE) == 0, the_log()


def torn_capture(text):
    with open("data/f", "w") as f:
        f.write(text)
    return keep("capture", "store", "data")


def what_is_refused(dice):
    os.makedirs("data/in")
    open("data/f", "w").close()
    assert "contains the store" in keep("capture", "data/in/store", "data", status=6)
    assert "contains the store" in keep("run", "data/store", "data", "--", "true", status=6)
    keep("capture", "store", "nothing", status=2)
    keep("capture", "store", "data/f", status=2)
    assert "no such process" in keep("daemon", "store", "data", "--freeze-pid", "2147483647", status=2)
    keep("capture", "store", "data")
    os.makedirs("full/x")
    keep("restore", "store", "latest", "full", status=6)
    assert os.listdir("full") == ["x"]
    keep("restore", "store", "latest", ".", "--force", status=6)
    keep("log", "store", "--name", "other", status=2)
    keep("log", "nowhere", status=2)
    process = start()
    wait_for("the start", lambda: said("watching"), process)
    assert "another process" in keep("capture", "store", "data", status=6)
    keep("log", "store")  # readers are unaffected
    keep("restore", "store", "latest", "free")
    stop(process)


def damage_is_found(dice):
    """DK-7, MK-4, W-75: Chunks are read again and hashed, and a restore of what is damaged fails and writes nothing."""
    os.makedirs("data")
    with open("data/f", "wb") as f:
        f.write(dice.randbytes(100000))
    keep("capture", "store", "data")
    with open("store/objects", "r+b") as f:
        f.seek(50000)
        byte = f.read(1)
        f.seek(50000)
        f.write(bytes([byte[0] ^ 4]))
    keep("verify", "store", status=4)
    keep("restore", "store", "latest", "back", status=4)
    assert not os.path.exists("back")


def a_full_disk(dice):
    """The store may not grow any more: captures fail and are retried, the program is not disturbed, old versions stay."""
    os.makedirs("data")
    open("data/f", "w").close()
    keep("capture", "store", "data")
    before = seen("data")

    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (400000, resource.RLIM_INFINITY))

    with open("random", "wb") as f:
        f.write(dice.randbytes(3000000))
    out = keep("run", "store", "data", "--", sys.executable, "-c",
               "import resource, shutil, time\nresource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
               "shutil.copy('random', 'data/big'); time.sleep(4)", status=5, preexec_fn=limit)
    lines = out.splitlines()
    assert len(lines) == 4 and lines[0] == lines[2] and "store" in lines[0], out
    assert lines[1] == "dxkeep: data could not be captured, and the program runs on; it is tried again in 1 s, then at most every 30 s", out
    assert lines[3] == "dxkeep: data: the last changes were not captured; 0 versions were captured before", out
    assert not difference(before, restored(1))
    keep("verify", "store")
    keep("capture", "store", "data")
    assert not difference(seen("data"), restored("latest"))


def a_store_that_cannot_be_made(dice):
    """One message says why, and that nothing was started; nothing is made or started."""
    for command, says in (("run", "the program was not started"), ("daemon", "nothing is captured"), ("capture", "nothing was captured")):
        os.makedirs("data", exist_ok=True)
        out = keep(command, "no/such/store", "data", *(["--", "touch", "started"] if command == "run" else []), status=2)
        assert out.count("\n") == 1 and "no/such, does not exist" in out and says in out, out
        shutil.rmtree("data")
    keep("run", "no/store", "data", "--", "touch", "started", status=2)
    open("file", "w").close()  # what cannot be made a store
    out = keep("run", "file", "data", "--", "touch", "started", status=2)
    assert "the program was not started" in out and "is gone" not in out, out
    assert sorted(os.listdir(".")) == ["data", "file"], os.listdir(".")


def what_must_not_be_read(dice):
    """It is left out and named; the rest is captured."""
    if os.geteuid() != 0:
        prefix = []
    elif shutil.which("setpriv"):
        prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    else:
        raise Skip("setpriv is not installed")
    os.makedirs("data/closed")
    for name in ("data/shut", "data/open", "data/closed/f"):
        open(name, "w").close()
    os.makedirs("mine")
    os.chmod(os.path.dirname(os.getcwd()), 0o755)
    for name in (".", "mine", "data"):
        os.chmod(name, 0o777)
    os.link("data/shut", "data/shut, by another name")
    os.chmod("data/shut", 0)
    os.chmod("data/closed", 0)
    program = shutil.copy(DXKEEP, "mine/dxkeep")
    done = subprocess.run([*prefix, program, "capture", "mine/store", "data"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = done.stdout.decode()
    assert done.returncode == 5 and "3 entries without read permission" in out, out
    keep("restore", "mine/store", "latest", "back")
    assert sorted(os.listdir("back")) == ["open"]
    os.chmod("data/closed", 0o755)
    os.unlink("data/shut")
    port = free_port()  # `run` keeps the program's status, and says it at the end
    process = subprocess.Popen([*prefix, program, "run", "mine/store", "data", "--metrics-addr", "127.0.0.1:%d" % port, "--", "cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for("a capture", lambda: metrics_or_none(port).get('capture_total{result="success"}'), process)
    assert metrics(port)["dxkeep_unreadable_entries"] == 1
    out = process.communicate(timeout=PATIENCE)[0].decode()
    assert process.returncode == 0 and "last version lacks 1 entry without read permission (the first is shut, by" in out, out
    os.chmod("data/shut, by another name", 0o644)
    subprocess.run([*prefix, program, "capture", "mine/store", "data"], check=True, stdout=subprocess.DEVNULL)


def make_deep(top, name, count, file=None):
    """count directories of that name below each other, by descriptors; in the last one a file of that name."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(count):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    if file:
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
    os.close(fd)


def all_paths(top):
    return sorted(os.path.relpath(os.path.join(where, name), top) for where, folders, files, _ in os.fwalk(top) for name in folders + files)


def paths_beyond_the_limits(dice):
    """What has a path of more than 4,095 bytes, or lies below more than 256 directories, is left out and named, shortened; everything else
    is captured, now and later, also by a capture that looks at changes only."""
    def check(target="back"):
        keep("restore", "store", "latest", target, "--force", "--quiet")
        wanted = [p for p in all_paths("data") if len(os.fsencode(p)) <= 4095 and p.count("/") < 255 + p.endswith("file")]
        found = all_paths(target)
        assert found == wanted, (set(found) ^ set(wanted)).pop()[:80]

    os.makedirs("data/a/b")
    written("data/f", b"1")
    make_deep("data", "s" * 150, 27, "file")  # 4076 bytes, and 5 more
    keep("capture", "store", "data")
    check()
    make_deep("data/a", "d", 254, "file")  # 256 directories with DIR and a
    keep("capture", "store", "data")
    check()
    os.makedirs("data/long")
    make_deep("data/long", "\u20ac" * 80, 16, "t" * 234)  # 4 + 16 * 241 bytes, and 235 more
    keep("capture", "store", "data")
    check()
    assert max(len(os.fsencode(p)) for p in all_paths("back")) == 4095
    os.mkdir("data/longe")
    for where, name, count, file in (("data/long", "x" + "\u20ac" * 80, 30, None), ("data/longe", "\u20ac" * 80, 16, "t" * 234), ("data/a", "q", 300, "file"), ("data/a/b", "p" * 200, 21, "file")):
        make_deep(where, name, count, file)
        out = keep("capture", "store", "data", status=5)
        told = [line for line in out.splitlines() if "not captured" in line]
        assert len(told) == 1 and "with a path of more than 4095 bytes or 256 directories (the first is " in told[0], out
        assert len(out) < 1000 and "\ufffd" not in out, out
        check()
    assert "4 entries" in out, out
    out = keep("capture", "store", "data", "--json", status=5)
    assert [json.loads(line)["unreadable"] for line in out.splitlines() if line.startswith("{\"version")] == [4], out
    program = ("import os, time\nopen('data/f', 'w').write('2'); time.sleep(0.5)\nfd = os.open('data', os.O_RDONLY)\nfor _ in range(300):\n os.mkdir('z', dir_fd=fd); fd = os.open('z', os.O_RDONLY, dir_fd=fd)\n"
               "time.sleep(0.5); open('data/f', 'w').write('3'); time.sleep(0.7); open('data/g', 'w').write('4')\nfd = os.open('data', os.O_RDONLY)\nfor _ in range(256):\n"
               " fd = os.open('z', os.O_RDONLY, dir_fd=fd)\nos.mkdir('late', dir_fd=fd); time.sleep(0.7)")
    out = keep("run", "store", "data", "--", sys.executable, "-c", program)
    assert "the last version lacks 5 entries with a path" in out and out.count("not captured") == 1, out
    assert len(versions()) >= 8, out
    check()
    subprocess.run(["rm", "-rf", "data", "back"], check=True)
    keep("restore", "store", "latest", "data", "--quiet")
    assert "unchanged" in keep("capture", "store", "data")


def the_store_is_taken_away(dice):
    """Removed, renamed, or replaced by another one: no version is reported that cannot be found, and the program continues."""
    def remove():
        shutil.rmtree("store")

    def rename():
        os.rename("store", "elsewhere")

    def replace():
        os.rename("store", "elsewhere")
        os.makedirs("other")
        keep("capture", "store", "other")

    def empty():
        shutil.rmtree("store")
        os.mkdir("store")

    def remove_the_log():
        os.unlink("store/objects")

    def remove_the_lock():
        os.unlink("store/lock")

    for how in (remove, rename, replace, empty, remove_the_log, remove_the_lock):
        for command in ("daemon", "run"):
            for left in ("data", "store", "elsewhere", "other", "log"):
                shutil.rmtree(left, ignore_errors=True)
            if os.path.exists("log"):
                os.unlink("log")
            os.makedirs("data")
            program = ("--", "sh", "-c", "while [ ! -e data/end ]; do sleep 0.02; done; echo last >data/last") if command == "run" else ()
            process = start("--quiet-ms", "1", "--scan-s", "0", command=command, program=program)
            wait_for("the start", lambda: said("watching"), process)
            open("data/first", "w").close()
            wait_for("a version", lambda: said("version 2"), process)
            how()
            open("data/second", "w").close()
            if command == "run":
                wait_for("the message", lambda: said("was removed, renamed or replaced"), process)
                open("data/end", "w").close()
            assert process.wait(PATIENCE) == 5, "%s, %s: status %d:\n%s" % (how.__name__, command, process.returncode, the_log())
            assert said("was removed, renamed or replaced") and not said("version 3"), the_log()
            assert os.path.exists("data/last") == (command == "run"), "the program was stopped"
            assert how is not empty or os.listdir("store") == [], os.listdir("store")
            assert command == "daemon" or said("has not come back: the last changes in data were not captured"), the_log()
            if how is not replace:
                assert how in (empty, remove_the_log, remove_the_lock) or not os.path.exists("store"), "a store was made in its place"
            else:
                assert restored("latest") == seen("other"), "the other store was written"


def a_store_that_comes_back(dice):
    """It was only renamed for a while: changes made meanwhile are captured then."""
    os.makedirs("data")
    process = start("--quiet-ms", "1", command="run", program=("--", "sh", "-c", "while [ ! -e data/end ]; do sleep 0.02; done"))
    wait_for("the start", lambda: said("watching"), process)
    os.rename("store", "elsewhere")
    open("data/second", "w").close()
    wait_for("the message", lambda: said("was removed, renamed or replaced"), process)
    os.rename("elsewhere", "store")
    wait_for("the change", lambda: "second" in restored("latest"), process)
    open("data/end", "w").close()
    assert process.wait(PATIENCE) == 0, the_log()
    assert not difference(seen("data"), restored("latest"))


def the_directory_goes_and_comes_back(dice):
    os.makedirs("data")
    with open("data/f", "w") as f:
        f.write("1")
    process = start("--scan-s", "1")
    wait_for("the start", lambda: said("watching"), process)
    shutil.rmtree("data")
    wait_for("the message", lambda: said("is gone"), process)
    assert latest() == 1
    os.makedirs("new")
    with open("new/f", "w") as f:
        f.write("2")
    os.rename("new", "data")
    wait_for("the new one", lambda: latest() == 2, process)
    stop(process)
    assert not difference(seen("data"), restored("latest"))


def examples_of_the_help(dice):
    os.makedirs("data")
    open("data/first", "w").close()
    lines = []
    for command in re.findall(r"^  dxkeep (\w+)", keep("help"), re.M):
        text = keep("help", command)
        lines += re.findall(r"^  (dxkeep .*)", text.split("\nExamples:\n")[1].split("\nExit")[0], re.M) if "\nExamples:\n" in text else []
    assert len(lines) >= 7, lines
    os.makedirs("bin")
    os.symlink(DXKEEP, "bin/dxkeep")
    os.mkdir("history")
    for line in lines:
        if " mount " in line:
            if may_mount():
                with mount_of("store", "history"):
                    assert open("history/latest/first").read() == ""
            continue
        if "daemon" in line:
            process = subprocess.Popen([DXKEEP, *line.split()[1:]], stderr=open("log", "wb"))
            wait_for("the start", lambda: said("watching"), process)
            stop(process)
            continue
        done = subprocess.run(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "PATH": os.path.abspath("bin") + ":" + os.environ["PATH"]})
        assert done.returncode == 0, line + "\n" + done.stdout.decode()


SQLITE_WRITER = """
import hashlib, os, sqlite3, sys, random, time
dice = random.Random(%r)
db = sqlite3.connect("data/db", isolation_level=None)
db.execute("pragma journal_mode=wal"); db.execute("pragma synchronous=full"); db.execute("pragma wal_autocheckpoint=20")
db.execute("create table if not exists t(id integer primary key, note blob)"); db.execute("create index if not exists n on t(note)")
record = os.open("record", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
at = (db.execute("select max(id) from t").fetchone()[0] or 0)
while True:
    db.execute("begin")
    for _ in range(dice.randrange(1, 8)):
        at += 1
        db.execute("insert into t values(?, ?)", (at, hashlib.sha256(b"%%d" %% at).digest() * (1 + at %% 90)))
    os.write(record, b"begun %%d %%d\\n" %% (at, time.time_ns()))
    db.execute("commit")
    os.write(record, b"done %%d %%d\\n" %% (at, time.time_ns()))
"""


def rows_of(version):
    """The rows of the database in back, restored from a version; it must be sound and have each row up to its last one, as
    written."""
    import sqlite3
    if not os.path.exists("back/db"):
        return 0
    db = sqlite3.connect("back/db")
    try:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)], "version %d is not sound" % version
        if not db.execute("select 1 from sqlite_master where name = 't'").fetchall():
            return 0
        rows = db.execute("select id, note from t order by id").fetchall()
    except sqlite3.DatabaseError as e:
        raise AssertionError("version %d: %s" % (version, e)) from None
    finally:
        db.close()
    for i, (at, note) in enumerate(rows, 1):
        assert at == i and note == hashlib.sha256(b"%d" % i).digest() * (1 + i % 90), "version %d: row %d of %d is another" % (version, i, len(rows))
    return len(rows)


def transactions():
    """The writer's notes before each commit, and at its acknowledgement: (kind, last row, time), in their order."""
    lines = [line.split() for line in open("record").read().split("\n")[:-1]]
    return [(kind, int(row), int(at)) for kind, row, at in lines]


def check_rows(version, rows, record):
    """All transactions acknowledged before the version's time, and none whose commit had not been requested by then."""
    least = max([row for kind, row, at in record if kind == "done" and at < version["time_ns"]], default=0)
    most = max([row for kind, row, at in record if kind == "begun" and at < version["time_ns"]], default=0)
    number = version["version"]
    assert rows >= least, "version %d lost rows: it has %d, and %d were acknowledged before its time" % (number, rows, least)
    assert rows <= most, "version %d is of a later time: it has %d rows, and %d were begun" % (number, rows, most)
    assert not rows or any(row == rows for _, row, _ in record), "version %d has part of a transaction: %d rows" % (number, rows)


def a_database_at_every_version(dice):
    """SQLite with its log, under full load, the writer as a grandchild, killed together with dxkeep. Every version is restored,
    and one that is called consistent opens, is sound, and has a prefix of the rows: those acknowledged before its time, and at
    most the transaction in progress. An unsound one must be called torn. The writer gets 20 ms between the last round and the stop
    (dxkeep_writer.c), in which a capture would lose data that it does not reread."""
    os.makedirs("data")
    stops, how = [], {}
    if sys.platform == "linux":
        how["env"] = {**preloaded(build_shim("writer.so", "tests/programs/dxkeep_writer.c")), "DX_DELAY_MS": "20"}
    for turn in range(int(os.environ.get("DX_KILLS", "1"))):
        program = ("--", "env", "-u", "LD_PRELOAD", "sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, SQLITE_WRITER % dice.random())
        process = start("--quiet-ms", "1", "--hold-ms", "20", "--pause-max-ms", "2000", command="run", program=program, **how)
        wait_for("the start", lambda: said("watching"), process)
        first = latest()
        end = time.monotonic() + PATIENCE / 3
        while sum(v["consistent"] and v["version"] > first for v in versions()) < 2 and time.monotonic() < end and process.poll() is None:
            time.sleep(dice.random() * 0.3)
        process.kill()
        process.wait()
        wait_for("the end of the writer", lambda: not writers())
        stops += [float(x) for x in re.findall(r"stopped for ([0-9.]+) ms", the_log())]
    found, record = sorted(versions(), key=lambda v: v["version"]), transactions()
    checked = unsound = 0
    for version in found:
        shutil.rmtree("back", ignore_errors=True)
        keep("restore", "store", str(version["version"]), "back", "--quiet")
        try:
            rows = rows_of(version["version"])
        except AssertionError as e:
            assert not version["consistent"], "it is called consistent: %s" % e
            unsound += 1
            continue
        if version["consistent"]:
            check_rows(version, rows, record)
            checked += rows > 0  # an empty one proves nothing
    assert checked, "only %d of %d versions are consistent and have rows:\n%s" % (checked, len(found), the_log())
    print("     %d of %d versions consistent, %d unsound, %d rows; stopped for %s ms"
          % (checked, len(found), unsound, rows, sorted(stops)[len(stops) // 2] if stops else "-"))


BUSY_WRITER = """
import os, time
size = 24 << 20
busy, calm = os.open("data/busy", os.O_RDWR), os.open("data/calm", os.O_RDWR | os.O_CREAT)
n = 0
while True:
    n += 1
    os.pwrite(busy, b"%016d" % n, n * 7919 * 16 % size)
    os.pwrite(calm, b"%016d" % n, 0)
    time.sleep(0.0005)  # the system's queue of events must not overflow
"""


def a_large_file_that_never_rests_is_read_at_rest(dice):
    """It changes during every read while the program runs, so the stop must read it again: then it is of the instant of the others."""
    os.makedirs("data")
    size = 24 << 20
    with open("data/busy", "wb") as f:
        f.write(b"0" * size)
    process = start("--quiet-ms", "1", "--hold-ms", "20", "--pause-max-ms", "10000", command="run", program=("--", sys.executable, "-c", BUSY_WRITER))
    try:
        wait_for("consistent versions", lambda: sum(v["consistent"] for v in versions()) >= 3, process)
        stop(process, status=128 + signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
    checked = 0
    for v in versions():
        if not v["consistent"]:
            continue
        keep("restore", "store", str(v["version"]), "back", "--force", "--quiet")
        with open("back/busy", "rb") as busy:
            at = int(open("back/calm", "rb").read() or b"0") if os.path.exists("back/calm") else 0
            for n in range(max(1, at - 20000), at + 20000):
                busy.seek(n * 7919 * 16 % size)
                has = int(busy.read(16)) >= n
                assert has == (n <= at) or n == at + 1, "version %d has number %d in one file, and write %d of the other is %s" % (
                    v["version"], at, n, "there" if has else "missing")
        checked += at > 0
    assert checked >= 2, versions()


HEAD_AND_TAIL = """
import os, time
size = 96 << 20
big, small = os.open("data/big", os.O_RDWR), os.open("data/small", os.O_RDWR | os.O_CREAT)
n = 10 ** 9
while True:
    n += 1
    os.pwrite(big, b"%d" % n, 0)
    os.pwrite(small, b"%d" % n, 0)
    os.pwrite(big, b"%d" % n, size - 10)
    time.sleep(0.002)  # or notifications are lost
"""


@contextlib.contextmanager
def a_file_system(kind, *options):
    """Made in a file and mounted at ./mounted; an error says why that is not possible here."""
    if os.geteuid() or not shutil.which("mkfs." + kind):
        raise Skip("needs root and mkfs." + kind)
    with open("image", "wb") as f:
        f.truncate(1 << 30)
    os.mkdir("mounted")
    for command in (["mkfs." + kind, "-q", *options, "image"], ["mount", "-o", "loop", "image", "mounted"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise Skip("%s: %s" % (" ".join(command), done.stdout.decode(errors="replace").strip()))
    top_now = os.getcwd()
    try:
        os.chdir("mounted")
        yield
    finally:
        os.chdir(top_now)
        subprocess.run(["umount", "-l", "mounted"], check=True)
        os.unlink("image")


def versions_of_a_large_file(dice, count=3):
    """A file of 96 MB that changes during every read, which is more than is held during a stop (with --paranoid, all chunks are). Waits for
    this number of versions while it changes. Returns those that are torn, and those that are consistent, which are checked to be of one
    instant."""
    os.makedirs("data")
    with open("data/big", "wb") as f:
        for _ in range(96):
            f.write(dice.randbytes(1 << 20))
    process = start("--quiet-ms", "1", "--hold-ms", "20", "--pause-max-ms", "60000", "--paranoid", command="run",
                    program=("--", sys.executable, "-c", HEAD_AND_TAIL))
    try:
        wait_for("versions", lambda: len([v for v in versions() if v["version"] > 1]) >= count, process)
        stop(process, status=128 + signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
    found = [v for v in versions() if v["version"] > 1][1:]  # the last one is of no running program
    for v in found:
        if not v["consistent"]:
            continue
        keep("restore", "store", str(v["version"]), "back", "--force", "--quiet")
        with open("back/big", "rb") as f:
            head = int(f.read(10))
            f.seek(-10, os.SEEK_END)
            tail = int(f.read(10))
        small = int(open("back/small").read())
        assert head >= small >= tail >= head - 1, "version %d: %d, %d, %d" % (v["version"], head, small, tail)
    assert "is sound" in keep("verify", "store")
    assert not [n for n in os.listdir(".") + os.listdir("data") if n not in ("data", "store", "log", "back", "big", "small", "lost+found")], os.listdir(".")
    return [v for v in found if not v["consistent"]], [v for v in found if v["consistent"]]


def a_large_file_is_cloned_on_xfs(dice):
    with a_file_system("xfs", "-m", "reflink=1"):
        torn, good = versions_of_a_large_file(dice)
    assert good and not torn, (torn, good)


def a_large_file_is_cloned_on_btrfs(dice):
    with a_file_system("btrfs"):
        torn, good = versions_of_a_large_file(dice)
    assert good and not torn, (torn, good)


def a_large_file_that_cannot_be_cloned_is_torn(dice):
    with a_file_system("ext4"):
        torn, good = versions_of_a_large_file(dice, 1)  # a capture that fails is not repeated at once
    assert torn and not good and all("too-much-changed" in v["torn_reasons"] for v in torn), (torn, good)


PAIR_WRITER = """
import os, time
a, b = os.open("data/d0/a", os.O_RDWR | os.O_CREAT), os.open("data/d1/b", os.O_RDWR | os.O_CREAT)
n = 10 ** 9
while True:
    n += 1
    os.pwrite(a, b"%d" % n * 200, 0)
    os.pwrite(b, b"%d" % n * 200, 0)
    if n % 50 == 0:
        os.rename("data/d0", "data/x"); os.rename("data/d1", "data/d0"); os.rename("data/x", "data/d1")
        os.rename("data/d0", "data/x"); os.rename("data/d1", "data/d0"); os.rename("data/x", "data/d1")
"""


def of_one_instant(version, steps=(0, 1)):
    """Is b equal to a, or one of these numbers of steps behind it, and each of one write?"""
    keep("restore", "store", str(version), "back", "--force", "--quiet")
    found = {}
    for folder, _, names in os.walk("back"):
        for name in names:
            found[name] = open(os.path.join(folder, name), "rb").read()
    if "a" not in found or "b" not in found or not found["a"] or not found["b"]:
        return True  # before the first step
    a, b = int(found["a"][:10]), int(found["b"][:10])
    return a - b in steps and found["a"] == b"%d" % a * 200 and found["b"] == b"%d" % b * 200


def build_shim(name, source):
    """A library that is preloaded into dxkeep."""
    done = subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", name, os.path.join(top, source), "-ldl"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    return os.path.abspath(name)


def preloaded(library):
    """The environment; a build with sanitizers must otherwise be the first library."""
    return {**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}


def a_changed_file_has_the_chunks_of_a_new_one(dice):
    """Chunks that are the same are not cut again. Whatever was written, inserted, cut off or appended, the version equals, by its root
    hash, that of a store that sees the file for the first time."""
    os.makedirs("data")
    content = bytearray(dice.randbytes(3 << 20))
    with open("data/f", "wb") as f:
        f.write(content)
    process = None
    try:
        for turn in range(16):
            if turn % 8 == 0: # first without stops, then during stops
                if process:
                    stop(process)
                program = ("--", "sleep", "1000") if turn else ()
                process = start("--quiet-ms", "1", "--hold-ms", "20", "--pause-max-ms", "20000", command="run" if turn else "daemon", program=program)
                wait_for("the start", lambda: open("log").read().count("watching") == 1 + (turn > 0), process)
            before, at = latest(), dice.randrange(len(content))
            how = turn % 4
            if how == 0:
                content[at:at + 100] = dice.randbytes(100)
            elif how == 1:
                content[at:at] = dice.randbytes(dice.randrange(1, 5000))
            elif how == 2:
                del content[max(1 << 20, len(content) - dice.randrange(1, 300000)):]
            else:
                content += dice.randbytes(dice.randrange(1, 200000))
            with open("data/f", "r+b") as f:
                f.write(content)
                f.truncate()
            wait_for("a version", lambda: latest() > before and open(restored("latest") and "back/f", "rb").read() == content, process)
            shutil.rmtree("other", ignore_errors=True)
            keep("capture", "other", "data")
            first = json.loads(keep("log", "other", "--limit", "1", "--json").splitlines()[0])
            assert versions(1)[0]["root"] == first["root"], "turn %d: the same content has another root hash" % turn
    finally:
        process.kill()
        process.wait()


def consistent_is_of_one_instant(dice):
    """A writer outside the program acts after each call of a capture in turn (dxkeep_writer.c). No version that is called
    consistent may have its write to one file without its write to the other. That this can fail is checked, too: some of the
    versions called torn must show it."""
    if sys.platform != "linux":
        raise Skip("needs LD_PRELOAD")
    shim = build_shim("writer.so", "tests/programs/dxkeep_writer.c")
    for name in ("d0", "d1"):
        os.makedirs("data/" + name)
    program = ("--", "env", "-u", "LD_PRELOAD", "sh", "-c", "echo 1 >data/start; exec sleep 1000")
    process = start("--quiet-ms", "1", "--hold-ms", "2", "--pause-max-ms", "5000", "--quiet", command="run", program=program,
                    env={**preloaded(shim), "DX_WRITER": os.path.abspath("acts")})

    def acts():
        return [tuple(map(int, line.split())) for line in open("acts")] if os.path.exists("acts") else []

    try:
        wait_for("a capture without enough calls", lambda: any(not behind for behind, _ in acts()), process)
        wait_for("a capture that is left alone", lambda: any(v["consistent"] and v["version"] > 1 for v in versions()), process)
    finally:
        process.kill()
        process.wait()
        wait_for("the end of the program", lambda: not writers())
    found = [v for v in versions() if v["version"] > 1]
    good, torn = [v["version"] for v in found if v["consistent"]], [v["version"] for v in found if not v["consistent"]]
    bad = [v for v in good if not of_one_instant(v, steps=(0,))]
    assert not bad, "versions %r are called consistent and are not" % bad
    assert good, "none of %d versions is consistent" % len(found)
    assert all(bool(v["torn_reasons"]) != v["consistent"] for v in found), "torn without a reason, or consistent with one: %r" % found
    assert any("written-while-stopped" in v["torn_reasons"] for v in found), found
    named = [set(v["torn_files"]) for v in found if not v["consistent"]]
    assert any({"d0/a", "d1/b"} & names for names in named), "log names %r" % named
    mixed = (v for v in torn if not of_one_instant(v, steps=(0,)))
    assert next(mixed, 0) and next(mixed, 0), "the writer, which acted %d times, did not mix two versions" % len(acts())


def a_pair_of_files_under_load(dice):
    """A writer that acts between any two reads, and renames directories: as the program, as a process that the program leaves
    running, and as one that dxkeep does not stop. No version that is called consistent may show it."""
    for who in ("program", "orphan", "outsider", "not stopped"):
        for left in ("data", "store"):
            shutil.rmtree(left, ignore_errors=True)
        for name in ("d0", "d1"):
            os.makedirs("data/" + name)
        open("log", "w").close()
        outsider, more = None, ("--no-freeze",) if who == "not stopped" else ()
        program = ("--", sys.executable, "-c", PAIR_WRITER)
        if who == "orphan":
            program = ("--", "sh", "-c", '("$0" -c "$1" & ) ; sleep 1000', sys.executable, PAIR_WRITER)
        elif who == "outsider":
            program = ("--", "sleep", "1000")
            outsider = subprocess.Popen([sys.executable, "-c", PAIR_WRITER])
        process = start("--quiet-ms", "1", "--hold-ms", "5", "--quiet", *more, command="run", program=program)
        try:
            wait_for("the start", lambda: said("watching"), process)
            first = latest()
            wait_for("versions", lambda: latest() >= first + 6, process)
        finally:
            process.kill()
            process.wait()
            if outsider:
                outsider.kill()
                outsider.wait()
            wait_for("the end of the writer", lambda: not writers())
        found = versions()
        good = [v for v in found if v["consistent"] and v["version"] > 1]
        assert all(bool(v["torn_reasons"]) != v["consistent"] for v in found), found
        bad = [v["version"] for v in good if not of_one_instant(v["version"])]
        assert not bad, "%s: versions %r of %d are called consistent and are not" % (who, bad, len(found))
        if who in ("program", "orphan"):
            assert good, "%s: none of %d versions is consistent:\n%s" % (who, len(found), the_log())
        if who == "not stopped":
            assert not good, "called consistent without a stop"


@contextlib.contextmanager
def a_cgroup():
    """A folder of cgroup v2 with a freezer, in which nothing runs."""
    mounts = [line.split() for line in open("/proc/mounts")] if os.path.exists("/proc/mounts") else []
    tops = [m[1] for m in mounts if m[2] == "cgroup2"]
    if not tops:
        raise Skip("cgroup v2 is not mounted")
    path = os.path.join(tops[0], "dxkeep-test-%d" % os.getpid())
    try:
        os.mkdir(path)
    except OSError as e:
        raise Skip("cgroup v2 is not writable: %s" % e.strerror) from None
    try:
        if not os.access(path + "/cgroup.freeze", os.W_OK):
            raise Skip("this kernel has no cgroup freezer")
        yield path
    finally:
        with open(path + "/cgroup.freeze", "w") as f:
            f.write("0")
        wait_for("the end of the writer", lambda: not writers())
        wait_for("an empty cgroup", lambda: "populated 0" in open(path + "/cgroup.events").read())
        os.rmdir(path)


def pair_writer(cgroup=None):
    """The writer of pairs below a shell, in the cgroup. Returns the shell and the writer's number."""
    for name in ("d0", "d1"):
        os.makedirs("data/" + name)
    script = '[ -z "$2" ] || echo $$ >"$2/cgroup.procs" || exit 1; "$0" -c "$1" & echo $! >pid.new && mv pid.new pid; wait'
    shell = subprocess.Popen(["sh", "-c", script, sys.executable, PAIR_WRITER, cgroup or ""])
    wait_for("the writer", lambda: os.path.exists("pid") and os.path.exists("data/d1/b"), shell)
    return shell, int(open("pid").read())


def killed_while_stopped(process, is_stopped):
    """Stops dxkeep while the writer is stopped, and kills it then. The state is certain: nobody else continues the writer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, "dxkeep has ended:\n" + the_log()
        if not is_stopped():
            continue
        process.send_signal(signal.SIGSTOP)
        wait_for("the stop of dxkeep", lambda: state_of(process.pid) == "T")
        if is_stopped():
            process.kill()
            process.wait()
            return
        process.send_signal(signal.SIGCONT)
    raise AssertionError("the writer was never seen stopped:\n" + the_log())


def frozen_from_outside(shell, pid, option, value, is_stopped):
    """daemon stops processes that it has not started: consistent versions, and the writer runs on, however dxkeep ends."""
    def runs_on():
        before = os.stat("data").st_mtime_ns  # the writer renames files in it
        wait_for("a writer that runs on", lambda: state_of(pid) in ("R", "S", "D") and os.stat("data").st_mtime_ns != before)

    more = ("--quiet-ms", "1", "--hold-ms", "5", "--pause-max-ms", "5000", "--quiet", option, value)
    try:
        process = start(*more)
        wait_for("a consistent version", lambda: sum(v["consistent"] for v in versions()) >= 2, process)
        stop(process)
        runs_on()
        good = [v["version"] for v in versions() if v["consistent"]]
        bad = [v for v in good if not of_one_instant(v)]
        assert not bad, "versions %r are called consistent and are not" % bad
        process = start(*more)
        killed_while_stopped(process, is_stopped)
        runs_on()
    finally:
        shell.kill()
        shell.wait()
        wait_for("the end of the writer", lambda: not writers())


def a_tree_of_processes_is_frozen(dice):
    shell, pid = pair_writer()
    frozen_from_outside(shell, pid, "--freeze-pid", str(shell.pid), lambda: state_of(pid) == "T")


def a_cgroup_is_frozen(dice):
    with a_cgroup() as cgroup:
        shell, pid = pair_writer(cgroup)
        frozen_from_outside(shell, pid, "--freeze-cgroup", cgroup, lambda: "frozen 1" in open(cgroup + "/cgroup.events").read())


def writers():
    """Processes that work in this directory, other than this one."""
    here, found = os.getcwd(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid() and os.readlink("/proc/%s/cwd" % pid) == here:
                found.append(int(pid))
        except OSError:
            pass
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return found


def a_store_checked_without_zstd(dice):
    """A build without zstd says that it cannot check a sound store, and calls nothing in it damaged; real damage it does find."""
    if "zstd" not in keep("--version"):
        raise Skip("this build has no zstd")
    if not shutil.which("cc"):
        raise Skip("there is no compiler")
    import glob
    sources = [f for d in ("common", "containers", "versions", "versions/*", "sync", "dxkeep") for f in glob.glob("%s/programs/%s/*.c" % (top, d))]
    subprocess.run(["cc", "-std=c11", "-O0", "-pthread", "-o", "plain", *sources], check=True)
    os.makedirs("data")
    for at in range(40):
        open("data/%d" % at, "w").write("line %d\n" % at * 500)
        keep("capture", "store", "data")

    def verify(*more):
        done = subprocess.run([os.path.abspath("plain"), "verify", "store", *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode()

    for more in ((), ("--json",)):
        status, out = verify(*more)
        assert status == 5 and "was not checked" in out and "damaged" not in out and len(out.splitlines()) == 1, (status, out)
    os.makedirs("point")  # it has no FUSE either: nothing would be lost, so this is not status 6
    done = subprocess.run([os.path.abspath("plain"), "mount", "store", "point"], stderr=subprocess.PIPE)
    assert done.returncode == 5 and b"built without libfuse3" in done.stderr, done
    assert "is sound" in keep("verify", "store")
    os.truncate("store/objects", os.path.getsize("store/objects") - 100)
    status, out = verify()
    assert status == 4 and "damaged" in out and "is whole" not in out, (status, out)


def what_is_stopped_is_gone(dice):
    """The process of --freeze-pid ends, that of --freeze-pidfile starts again under another PID, a cgroup is none: each is said once, at once;
    versions are torn for that reason meanwhile, and consistent when there is something to stop again."""
    os.makedirs("data")
    serial = 0

    def change(good, key=None):
        nonlocal serial
        serial += 1
        open("data/f", "w").write("%d" % serial)
        before = latest()
        wait_for("a version", lambda: latest() > before, process)
        found = versions(1)[0]
        assert found["consistent"] == good and (not key or key in found["torn_reasons"]), (found, the_log())

    def server():
        return subprocess.Popen(["sleep", "1000"], cwd="/")

    def told(text, count=1):
        assert open("log").read().count(text) == count, (text, the_log())

    process = start("--freeze-cgroup", "/nowhere/x")
    wait_for("the start", lambda: said("watching"), process)
    told("--freeze-cgroup /nowhere/x: there is no such directory now; nothing is stopped, so versions are torn")
    change(False, "unstoppable")
    told("/nowhere/x")
    stop(process)
    open("log", "w").close()
    process = start("--freeze-cgroup", os.getcwd())
    wait_for("the start", lambda: said("watching"), process)
    told("version 1")
    change(False, "unstoppable")
    stop(process)
    one = server()
    try:
        process = start("--freeze-pid", str(one.pid))
        wait_for("the start", lambda: said("watching"), process)
        change(True)
        one.kill()  # not waited for: a zombie
        change(False, "process-ended")
        one.wait()
        change(False, "process-ended")
        told("--freeze-pid %d: this process has ended" % one.pid)
        said_by_all("process-ended", "the process of --freeze-pid or --freeze-pidfile had ended")
        stop(process)
        assert "there is no such process" in keep("daemon", "store", "data", "--freeze-pid", str(one.pid), status=2)
        one = server()
        process = start("--freeze-pidfile", "server.pid")
        wait_for("the complaint", lambda: said("--freeze-pidfile server.pid: it is not there or has no PID now"), process)
        wait_for("the start", lambda: open("log").read().count("watching") == 3, process)
        change(False, "process-ended")
        open("server.pid", "w").write("%d\n/var/lib/more\n5432\n" % one.pid)  # as that of PostgreSQL
        change(True)
        told("server.pid is there again")
        one.kill()
        one.wait()
        change(False, "process-ended")
        told("its process, %d, has ended" % one.pid)
        one = server()
        open("server.pid", "w").write("%d" % one.pid)
        change(True)
        for bad in ("", "x", "1", "-5", "12x", "99999999999999999999", " x"):
            open("server.pid", "w").write(bad)
            change(False, "process-ended")
        stop(process)
    finally:
        one.kill()
        one.wait()
    assert "one of them" in keep("daemon", "store", "data", "--freeze-pidfile", "server.pid", "--freeze-pid", "5", status=1)


def a_stop_signal(dice):
    """--stop-signal: SIGTERM becomes it, other signals do not, with a supervisor too."""
    text = "import signal, sys, time\nfor n in (2, 3, 10, 15): signal.signal(n, lambda n, f: sys.exit(50 + n))\nopen('ready', 'w').close()\ntime.sleep(100)"
    for more, sent, status in ((["--stop-signal", "INT"], signal.SIGTERM, 52), (["--stop-signal", "SIGQUIT"], signal.SIGTERM, 53), ([], signal.SIGTERM, 65),
                               (["--stop-signal", "INT"], signal.SIGUSR1, 60), (["--stop-signal", "INT", "--supervise"], signal.SIGTERM, 52),
                               (["--stop-signal", "KILL"], signal.SIGTERM, 128 + 9)):
        os.makedirs("data", exist_ok=True)
        if os.path.exists("ready"):
            os.unlink("ready")
        process = start(*more, command="run", program=("--", sys.executable, "-c", text))
        wait_for("the program", lambda: os.path.exists("ready"), process)
        stop(process, sent, status)
    assert "--stop-signal: 'NONE' is not TERM" in keep("run", "store", "data", "--stop-signal", "NONE", "--", "true", status=1)


def versions_are_removed_by_age(dice):
    """--keep within=AGE against an oracle, at several times, alone and beside other rules."""
    a_history(dice, 30)
    clock = build_shim("clock.so", "tests/programs/dxkeep_clock.c")
    now = max(v["time_ns"] for v in versions() if v["time_ns"] < 1900000000 * 10**9) // 10**9 + 100
    removed = 0
    for rule, later in (("within=8w,daily=2", 0), ("within=20d", 0), ("within=20d,last=2", 5 * 86400), ("weekly=1,within=200h", 6 * 86400), ("within=5s", 9 * 86400)):
        rows = [(v["version"], v["time_ns"] / 10**9, v["consistent"], False) for v in versions()]
        want = kept_by(rule, rows, now + later)
        env = {**preloaded(clock), "DX_CLOCK_S": str(now + later)}
        dry = {json.loads(line)["removed"] for line in keep("gc", "store", "--keep", rule, "--dry-run", "--json", env=env).splitlines()}
        assert dry == {r[0] for r in rows} - want, (rule, dry, want)
        keep("gc", "store", "--keep", rule, env=env)
        assert {v["version"] for v in versions()} == want, (rule, want)
        removed += len(dry)
    assert removed > 15, removed
    assert "within=AGE" in keep("gc", "store", "--keep", "24h", status=1)
    assert "'24' is not an age" in keep("gc", "store", "--keep", "within=24", status=1)


def names_of_a_store(dice):
    """A wrong --name: the message has the names that there are. A wrong moment: it has all forms."""
    os.makedirs("data")
    keep("record", "store", "--dir", "data", "--", "true")
    keep("capture", "store", "data", "--name", "app")
    for command in (["log", "store"], ["ls", "store", "latest"], ["restore", "store", "1", "back"], ["timeline", "store"], ["export", "store", "x.tar"]):
        assert "store has no versions named dir; it has app, record (--name)" in keep(*command, status=2), command
    for text in ("@x", "14:02", "yesterday", "2026-13-01", ""):
        out = keep("restore", "store", text, "back", "--name", "app", status=1)
        assert all(form in out for form in ("is not a moment", "consistent", "+01:00", "@SECONDS", "90s")), out


def a_restore_while_it_is_captured(dice):
    """A restore into a directory that run captures: a file that a program has open or mapped for writing is not replaced, nor a database
    beside its log; another file is, and is captured; after a restore of all of it, the torn version has the reason."""
    os.makedirs("data")
    for name in ("log", "conf"):
        open("data/" + name, "w").write("1\n")
    process = start(command="run", program=("--", sys.executable, "-c", "import time\nf = open('data/log', 'a', 1)\nwhile True:\n f.write('x\\n')\n time.sleep(0.02)"))
    try:
        wait_for("a line", lambda: any(v["version"] > 3 for v in versions()), process)
        inode = os.stat("data/log").st_ino
        out = keep("restore", "store", "1", "data/log", "--path", "log", "--force", status=6)
        assert "data/log is open for writing" in out and os.stat("data/log").st_ino == inode, out
        keep("restore", "store", "1", "data/log", "--path", "log", status=6)
        assert sorted(os.listdir("data")) == ["conf", "log"]
        open("data/conf", "w").write("2\n")
        wait_for("the change", lambda: keep("cat", "store", "latest", "conf") == "2\n", process)
        keep("restore", "store", "1", "data/conf", "--path", "conf", "--force")
        wait_for("what was restored", lambda: keep("cat", "store", "latest", "conf") == "1\n", process)
        with open("data/conf", "r+b") as f, mmap.mmap(f.fileno(), 0):
            f.close()
            assert "is open for writing" in keep("restore", "store", "1", "data/conf", "--path", "conf", "--force", status=6)
        with open("data/conf", "rb"):  # reading only
            keep("restore", "store", "1", "data/conf", "--path", "conf", "--force")
    finally:
        stop(process, status=128 + 15)
    shutil.rmtree("data")
    shutil.rmtree("store")
    os.makedirs("data")
    open("data/shop.db", "wb").write(b"SQLite format 3\0" + bytes(1000))
    open("data/other", "wb").write(bytes(1000))
    idle = subprocess.Popen(["sleep", "1000"])
    process = start("--freeze-pid", str(idle.pid))
    try:
        wait_for("a version", lambda: latest() >= 1, process)
        for end in ("-wal", "-journal"):
            for name in ("shop.db", "other"):
                open("data/" + name + end, "w").write("frames")
            out = keep("restore", "store", "1", "data/shop.db", "--path", "shop.db", "--force", status=6)
            assert "data/shop.db%s belongs to the database" % end in out, out
            keep("restore", "store", "1", "data/other", "--path", "other", "--force")
            open("data/shop.db" + end, "w").close()
            keep("restore", "store", "1", "data/shop.db", "--path", "shop.db", "--force")
            os.unlink("data/shop.db" + end)
        open("data/new", "w").write("x")  # the restore will be a change
        wait_for("it", lambda: " new\n" in keep("ls", "store", "latest"), process)
        before = latest()
        assert "is captured by a running dxkeep, process %d" % process.pid in keep("restore", "store", "1", "data", "--force")
        assert "captured by" not in keep("restore", "store", "1", "elsewhere")
        wait_for("what was restored", lambda: latest() > before and keep("ls", "store", "latest").count("\n") == 2, process)
        found = [v["torn_reasons"] for v in versions() if v["version"] > before and not v["consistent"]]
        assert found and all(reasons == ["directory-replaced"] for reasons in found), (found, the_log())
        assert "the directory was removed or replaced" in keep("log", "store")
        wait_for("a version after it", lambda: open("data/more", "a").write("x") and versions(1)[0]["consistent"], process)
        stop(process)
    finally:
        idle.kill()
        idle.wait()


CASES = [a_restore_while_it_is_captured, versions_are_removed_by_age, names_of_a_store, what_is_stopped_is_gone, a_stop_signal, a_store_checked_without_zstd, the_program_and_its_status, the_last_version_on_a_busy_machine, a_program_that_ends_at_any_moment, what_is_said_in_the_end, signals_are_passed_on, every_signal_is_passed_on, hooks, a_killed_dxkeep_ends_its_program, a_command_is_recorded, changes_are_replayed, a_killed_dxkeep_is_started_again,
         a_supervisor_and_the_ends_of_both, what_is_missing_is_made,
         the_time_of_a_version_is_that_of_its_content, the_last_capture_is_in_a_hurry, as_the_first_process, a_missing_directory_is_restored, a_directory_larger_than_it_may_be_is_not_restored, a_mount_point_is_restored,
         a_mount_point_whatever_kills_the_restore, a_capture_killed_at_any_call, moments, entries_and_files_of_a_version,
         differences_of_two_versions, a_diff_of_hostile_names, commands_on_a_damaged_store, a_part_of_a_version, another_user_restores, an_export_is_the_directory, an_export_is_of_a_consistent_version, a_mount_shows_the_directory, a_mount_follows_its_store, a_mount_of_a_damaged_store,
         old_versions_are_removed_by_a_rule, a_collection_killed_at_any_moment, a_daemon_that_removes_old_versions,
         status_of_a_store, a_timeline, why_a_version_is_torn, every_reason_is_forced, stops_that_cannot_succeed, records_of_torn_versions, the_latest_consistent_version,
         a_store_of_a_newer_format_is_refused, whole_chunks_and_deltas_continue_each_other, when_a_chunk_is_stored_whole, a_restore_stays_in_its_directory,
         a_store_that_cannot_be_written, content_under_a_known_hash_is_compared, what_a_fingerprint_would_spare_is_compared, every_damaged_byte_is_found, a_store_without_a_part, a_store_that_has_lost_versions, names_that_cannot_be_read, files_of_a_store_that_are_none,
         files_around_the_size_of_a_chunk, a_daemon_ends_gracefully, what_has_not_changed_is_not_stored, a_large_file_in_little_memory,
         many_small_changes, the_named_tests_of_diffkeeper,
         the_flags_of_diffkeeper, deltas_as_diffkeeper_asks_for_them, metrics_of_a_run, slow_captures_leave_no_long_gaps,
         a_second_dxkeep_waits_for_the_first, what_is_refused,
         damage_is_found, the_store_is_taken_away, a_store_that_comes_back, a_full_disk, a_store_that_cannot_be_made, what_must_not_be_read, paths_beyond_the_limits, the_directory_goes_and_comes_back, what_is_unchanged_is_not_read,
         only_what_changed_is_looked_at, a_version_has_all_that_came_before_it, owners_are_kept, modes_and_owners_whatever_a_folder_gives, events_that_were_lost_lead_to_a_scan, mapped_files_are_found, a_file_that_never_rests_is_marked, a_writer_at_full_speed,
         any_version_is_what_the_directory_was, random_moments_equal_plain_copies, notified_changes_need_no_scan, killed_at_any_moment, a_tree_of_processes_is_frozen,
         a_cgroup_is_frozen, a_changed_file_has_the_chunks_of_a_new_one,
         consistent_is_of_one_instant, a_pair_of_files_under_load, a_large_file_that_never_rests_is_read_at_rest,
         a_large_file_is_cloned_on_xfs, a_large_file_is_cloned_on_btrfs, a_large_file_that_cannot_be_cloned_is_torn, a_database_at_every_version,
         examples_of_the_help]


def main(cases, suite="test_dxkeep"):
    work = tempfile.mkdtemp()
    os.chmod(work, 0o755)  # a program of another user works in it
    try:
        for case in cases:
            name = case.__name__
            wanted = [a for a in sys.argv[1:] if a[0] != "-"]
            if wanted and not any(a in name for a in wanted) or any(a[1:] in name for a in sys.argv[1:] if a[0] == "-"):
                continue
            if name not in os.environ.get("DX_CASES", name).split():
                continue
            place = os.path.join(work, name)
            os.mkdir(place)
            os.chdir(place)
            result, why = "passed", ""
            try:
                case(random.Random("%s %s" % (SEED, name)))
            except Skip as e:
                result, why = "skipped", ": %s" % e
            except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
                result, why = "failed", ": line %d: %s" % (e.__traceback__.tb_next.tb_lineno, e)
            counts[result] += 1
            print("%-4s %s%s" % ({"passed": "ok", "failed": "FAIL", "skipped": "skip"}[result], name, why), flush=True)
            os.chdir(top)
            subprocess.run(["chmod", "-R", "u+rwX", place])
            shutil.rmtree(place, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("%s: %d passed, %d failed, %d skipped" % (suite, counts["passed"], counts["failed"], counts["skipped"]))
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main(CASES))
