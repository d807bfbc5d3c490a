#!/usr/bin/env python3
"""A writer that acts between any two system calls of a pull, a checkout or a restore (tests/programs/meddler.c): its writes
are never lost if the program ends with 0. They are in the destination, or in the directory that the program names with status
6. The same after a kill before any call, a writer after that, and the next run.

usage: test_meddled.py [FILTER...]      before each call, with DX_EVERY=1, else before some: DX_TEST_RUNS (20) of each case. The
                                        writer's action is drawn with DX_TEST_SEED
       DXUP=path DXKEEP=path"""
import concurrent.futures, os, random, re, shutil, subprocess, sys, tempfile, time

top = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
dxup = os.path.join(top, os.environ.get("DXUP", "build/dxup"))
dxkeep = os.path.join(top, os.environ.get("DXKEEP", "build/dxkeep"))
meddler = os.path.join(top, "build/meddler")
EVERY = os.environ.get("DX_EVERY") == "1"
RUNS = int(os.environ.get("DX_TEST_RUNS", "20"))
SEED = os.environ.get("DX_TEST_SEED", "1")
AT_ONCE = 4  # most of the time is spent in fsync()
BATCH = 400  # copies of the destination that are made together, so that their times are old when they are used
TREE = ["create", "create_below", "create_in_removed", "create_in_open", "rename_in_open", "append", "append_same", "append_removed",
        "same_size", "rename", "rename_same", "unlink", "mkdir", "write_open", "write_open_same", "write_close", "map"]
FILE = ["file", "file_open", "file_rename"]
counts = {"passed": 0, "failed": 0, "skipped": 0}


def ok(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def make_versions(part):
    """Two versions of a tree; part: only a directory of it has changes."""
    write("v/sub/changed", "one " * 30)
    write("v/sub/same", "same " * 30)
    for n in range(3):  # linked files share one random name when the old directory is removed
        write("v/sub/same-%d" % n, "same %d " % n * 30)
    write("v/sub/deep/other", "other")
    write("v/gone/file", "removed in the next version " * 5)
    write("v/top", "top")
    os.symlink("top", "v/link")
    ok(dxup, "publish", "store", "t", "v")
    ok(dxkeep, "capture", "kept", "v")
    write("v/sub/changed", "two " * 30)
    write("v/sub/more", "more")
    if not part:
        shutil.rmtree("v/gone")
        write("v/top", "changed at the top")


def publish_next():
    ok(dxup, "publish", "store", "t", "v")
    ok(dxkeep, "capture", "kept", "v")


def has_mark(path):
    if os.path.isfile(path) and not os.path.islink(path):
        with open(path, "rb") as f:
            return b"WRITER\n" in f.read()
    return os.path.isdir(path) and not os.path.islink(path) and any(has_mark(os.path.join(path, n)) for n in os.listdir(path))


class Case:
    """The template of a destination, and the command that replaces it."""

    def __init__(self, name, command):
        self.name, self.command, self.serial = name, command, 0
        self.ready = []
        self.notes = False  # is it a pull of a directory, which leaves a note?
        # a file, or with --force, is replaced as is when the command looks
        self.begin = "make" if name == "file" or "--force" in command("") else "look"

    def fresh(self, count, waits=True):
        while len(self.ready) < count:
            self.serial += 1
            place = os.path.abspath("%s.%d" % (self.name, self.serial))
            ok("cp", "-a", "template", place)
            self.ready.append(place)
        if waits and not self.name.endswith("_now"):
            time.sleep(2.1)

    def run(self, action, n, keep=False):
        """The place, the status, the output, calls, whether the writer has acted."""
        if not self.ready:
            self.fresh(1, False)
        place = self.ready.pop()
        dest = os.path.join(place, "out")
        done = subprocess.run([meddler, action, str(n), self.begin, dest] + self.command(dest), stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
        calls, acted = done.stdout.split("\n")[-2].split()
        return place, dest, done.returncode, done.stderr, int(calls), acted == "1"


def verdict(dest, status, said, acted):
    """None, or the error."""
    if status not in (0, 6):
        return "status %d: %s" % (status, said)
    if status == 0 and any(".dxup-kept" in n for n in os.listdir(os.path.dirname(dest))):
        return "something was kept, and nobody was told"
    if not acted:
        return None
    kept = [k for k in re.findall(r"(/\S*\.dxup-kept(?:-\d+)?)", said)] if status == 6 else []
    if has_mark(dest) or any(has_mark(k) for k in kept):
        return None
    return "what the writer wrote is lost, status %d: %s" % (status, said)


def hidden(case, dest):
    """The writer's data is in the destination, which then equals no version: the next pull must detect it, whatever the last
    one's note says. None, or the error."""
    if not case.notes or not has_mark(dest):
        return None
    again = subprocess.run(case.command(dest), stdin=subprocess.DEVNULL, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           encoding="utf-8", errors="replace")
    return None if again.returncode == 6 else "the next pull ended with %d: %s" % (again.returncode, again.stdout)


def drawn(dice, calls):
    ns = list(range(1, calls + 3))
    return ns if EVERY or len(ns) <= RUNS else sorted(dice.sample(ns, RUNS))


def meddled(case, actions, dice):
    total, bad = 0, []
    place, dest, status, said, calls, acted = case.run("none", 0)
    assert status == 0, said
    shutil.rmtree(place)
    if EVERY:
        todo = [(dice.choice(actions), n) for n in range(1, calls + 3)]
    else:
        todo = [(dice.choice(actions), dice.randrange(1, calls + 3)) for _ in range(RUNS * 4)]
    while todo:
        now, todo = todo[:BATCH], todo[BATCH:]
        case.fresh(len(now))
        def one(what):
            action, n = what
            place, dest, status, said, calls, acted = case.run(action, n)
            why = verdict(dest, status, said, acted) or (hidden(case, dest) if acted and status == 0 else None)
            shutil.rmtree(place, ignore_errors=True)
            return why and "%s before call %d: %s" % (action, n, why.strip())
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(one, now))
        total += len(found)
        bad += [why for why in found if why]
    lost = sum("lost" in why for why in bad)
    assert not bad, "%d of %d runs (%d lost):\n  %s" % (len(bad), total, lost, "\n  ".join(bad[:8]))
    return total


def kill_once(case, n):
    """None, or the error."""
    place, dest, status, said, calls, acted = case.run("kill", n)
    part = os.path.join(place, ".out.dxup-part")
    # Is it the old directory? The inode is that of the template's copy.
    old = os.path.isdir(part) and os.stat(part).st_ino == INODES.get(place)
    old = old and (os.listdir(part) or os.path.exists(os.path.join(place, ".out.dxup-old")))  # or its number was reused
    made = old and n % 2 == 0
    if made:
        write(os.path.join(part, "new"), "WRITER\n")
    again = subprocess.run(case.command(dest), stdin=subprocess.DEVNULL, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           encoding="utf-8", errors="replace")
    why = verdict(dest, again.returncode, again.stderr, made)
    if not made and not why and again.returncode:
        why = "status %d without a reason: %s" % (again.returncode, again.stderr)
    if not why and again.returncode:
        ok(*case.command(dest))
    left = [f for f in os.listdir(place) if re.search(r"dxup-(part|old|lock|sync)", f)]
    if not why and left:
        why = "something was left behind: %s" % left
    shutil.rmtree(place, ignore_errors=True)
    return why and "killed before call %d%s: %s" % (n, ", then written" if made else "", why.strip())


def killed(case, dice):
    """Killed before any call; then a writer changes whatever remains of the old directory; then the next run."""
    place, dest, status, said, calls, acted = case.run("none", 0)
    shutil.rmtree(place)
    todo, total, bad = drawn(dice, calls), 0, []
    if not EVERY:  # the end is where the exchange is
        todo = sorted(set(todo) | set(range(calls - RUNS, calls + 1)))
    while todo:
        now, todo = todo[:BATCH], todo[BATCH:]
        case.fresh(len(now))
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda n: kill_once(case, n), now))
        total += len(found)
        bad += [why for why in found if why]
    assert not bad, "%d of %d runs:\n  %s" % (len(bad), total, "\n  ".join(bad[:8]))
    return total


INODES = {}  # of the destination before the run, by the place
server = None


def serve():
    global server
    server = subprocess.Popen([dxup, "serve", "store", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, encoding="utf-8")
    return re.match(r"listening on (\S+)", server.stdout.readline()).group(1)


def tree(command_of, name, part=False):
    make_versions(part)
    address = serve()
    os.mkdir("template")
    ok(dxup, "pull", address, "t", "template/out")
    publish_next()
    case = Case(name, command_of(address))
    case.notes = command_of is pull_of
    fresh = case.fresh

    def noted(count, waits=True):
        fresh(count, waits)
        for place in case.ready:
            INODES[place] = os.stat(os.path.join(place, "out")).st_ino
    case.fresh = noted
    return case


def pull_of(address):
    return lambda dest: [dxup, "pull", address, "t", dest]


def with_notes(name, part):
    """Each destination was pulled itself, so its note describes its content, and nothing is read."""
    make_versions(part)
    address = serve()
    case = Case(name, pull_of(address))
    case.notes = True
    for i in range(1500 if EVERY else RUNS * 4 + 1):
        place = os.path.abspath("%s.%d" % (name, i))
        os.mkdir(place)
        ok(dxup, "pull", address, "t", place + "/out")
        assert os.path.exists(place + "/.out.dxup-seen"), "no note"
        case.ready.append(place)
    case.fresh = lambda count, waits=True: None
    time.sleep(2.1)
    publish_next()
    return case


def checkout_of(address):
    return lambda dest: [dxup, "checkout", "store", "t", dest, "--force"]


def restore_of(address):
    return lambda dest: [dxkeep, "restore", "kept", "latest", dest, "--force"]


def pull_replaces_all(dice):
    return meddled(tree(pull_of, "all"), TREE, dice)


def pull_replaces_a_part(dice):
    return meddled(tree(pull_of, "part", True), [a for a in TREE if "removed" not in a], dice)


def pull_with_a_note(dice):
    return meddled(with_notes("noted", False), TREE, dice)


def pull_of_a_part_with_a_note(dice):
    return meddled(with_notes("noted_part", True), [a for a in TREE if "removed" not in a], dice)


def pull_right_after_a_change(dice):
    return meddled(tree(pull_of, "all_now"), TREE, dice)


def pull_of_what_was_not_there(dice):
    case = tree(pull_of, "none")
    shutil.rmtree("template/out")
    case.fresh = Case.fresh.__get__(case)
    return meddled(case, ["appear"], dice)


def pull_of_a_file(dice):
    write("v", "one " * 1000)
    ok(dxup, "publish", "store", "t", "v")
    address = serve()
    os.mkdir("template")
    ok(dxup, "pull", address, "t", "template/out")
    write("v", "two " * 1000)
    ok(dxup, "publish", "store", "t", "v")
    return meddled(Case("file", pull_of(address)), FILE, dice)


def checkout_replaces_all(dice):
    return meddled(tree(checkout_of, "checkout"), TREE, dice)


def restore_replaces_all(dice):
    return meddled(tree(restore_of, "restore"), TREE, dice)


def pull_killed(dice):
    return killed(tree(pull_of, "killed"), dice)


def pull_of_a_part_killed(dice):
    return killed(tree(pull_of, "killed_part", True), dice)


def checkout_killed(dice):
    return killed(tree(checkout_of, "killed_checkout"), dice)


CASES = [pull_replaces_all, pull_replaces_a_part, pull_with_a_note, pull_of_a_part_with_a_note, pull_right_after_a_change, pull_of_what_was_not_there, pull_of_a_file,
         checkout_replaces_all, restore_replaces_all, pull_killed, pull_of_a_part_killed, checkout_killed]


def main():
    global server
    work = tempfile.mkdtemp()
    try:
        for case in CASES:
            name = case.__name__
            if sys.argv[1:] and not any(f in name for f in sys.argv[1:]):
                continue
            os.mkdir(os.path.join(work, name))
            os.chdir(os.path.join(work, name))
            begun, result, why = time.time(), "passed", ""
            try:
                why = " (%d runs, %.1f s)" % (case(random.Random("%s %s" % (SEED, name))), time.time() - begun)
            except (AssertionError, OSError, subprocess.SubprocessError) as e:
                result, why = "failed", ": %s%s" % (e, getattr(e, "stderr", "") or "")
            finally:
                if server:
                    server.terminate()
                    server.wait()
                    server = None
            counts[result] += 1
            print("%-4s %s%s" % ("ok" if result == "passed" else "FAIL", name, why), flush=True)
            os.chdir(top)
            shutil.rmtree(os.path.join(work, name), ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("test_meddled: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return counts["failed"] > 0


sys.exit(main())
