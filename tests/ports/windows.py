#!/usr/bin/env python3
"""dxpatch, dxup and dxecho built for Windows, run in wine, beside the same programs of this system.
usage: windows.py [FILTER...]       runs the cases whose name contains one of the filters"""
import fcntl, os, random, shutil, signal, stat, subprocess, sys, tempfile, time

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.path.join(top, "build")
programs = {name: os.path.join(build, "windows", name + ".exe") for name in ("dxpatch", "reader")}
environment = dict(os.environ, WINEPREFIX=os.path.join(build, "wine"), WINEDEBUG="-all", WINEDLLOVERRIDES="mscoree,mshtml=")
environment.pop("DISPLAY", None)


# ---- kit
class Failure(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


def command(windows, name, *arguments):
    return (["wine", programs[name]] if windows else [os.path.join(build, name)]) + list(arguments)


def start(windows, name, *arguments, **options):
    return subprocess.Popen(command(windows, name, *arguments), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, **options)


def run(windows, name, *arguments, status=0):
    """What it printed; its end with another status is a failure."""
    done = subprocess.run(command(windows, name, *arguments), env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60)
    out = done.stdout + done.stderr
    check(done.returncode == status, f"status {done.returncode} instead of {status}:", name, arguments, out)
    return out.decode()


def put(path, content):
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def versions(size, seed):
    """Two contents of which most is the same."""
    r = random.Random(seed)
    old = r.randbytes(size)
    return old, old[:size // 3] + b"what is new" + old[size // 3:size // 2] + r.randbytes(500) + old[size // 2:]


LINUX, WINDOWS = False, True


class Reader:
    """A program of Windows that has a file open."""

    def __init__(self, path, share):
        self.process = start(WINDOWS, "reader", path, share)
        self.first = self.process.stdout.readline()

    def end(self):
        out, _ = self.process.communicate(b"\n", timeout=20)
        check(self.process.returncode == 0, "the reader ends with", self.process.returncode)
        return self.first, out


# ---- dxpatch
def patches_are_the_same_bytes_on_both_systems():
    old, new = versions(300000, 1)
    put("old", old)
    put("new", new)
    sizes = []
    for kind in ("delta", "blocks", "flash", "vcdiff"):
        for system, patch in ((LINUX, "linux"), (WINDOWS, "windows")):
            run(system, "dxpatch", "diff", "old", "new", patch, "--kind", kind)
        check(get("linux") == get("windows"), kind, "patches differ")
        run(WINDOWS, "dxpatch", "apply", "old", "linux", "out")
        check(get("out") == new, kind, "applied on Windows is not the target")
        run(LINUX, "dxpatch", "apply", "old", "windows", "out")
        check(get("out") == new, kind, "applied on Linux is not the target")
        sizes.append(f"{kind} {len(get('linux'))}")
    put("file", old)
    run(WINDOWS, "dxpatch", "diff", "old", "new", "blocks", "--kind", "blocks")
    run(WINDOWS, "dxpatch", "apply-in-place", "file", "blocks")
    check(get("file") == new, "applied in place")
    run(WINDOWS, "dxpatch", "undo", "file", "blocks")
    check(get("file") == old, "taken back")
    run(WINDOWS, "dxpatch", "apply", "new", "blocks", "out", status=6)
    check(run(WINDOWS, "dxpatch", "info", "blocks") == run(LINUX, "dxpatch", "info", "blocks"), "info differs")
    put("damaged", get("blocks")[:-1] + b"?")
    run(WINDOWS, "dxpatch", "apply", "old", "damaged", "none", status=4)
    check(not [name for name in os.listdir(".") if "none" in name], "something was left")
    return "patches in bytes: " + ", ".join(sizes)


def a_file_is_replaced_while_others_have_it_open():
    put("old", b"the old version" * 1000)
    put("new", b"the new version" * 900)
    run(LINUX, "dxpatch", "diff", "old", "new", "patch")
    shutil.copy("old", "file")
    reader = Reader("file", "share")
    run(WINDOWS, "dxpatch", "apply-in-place", "file", "patch")
    check(get("file") == get("new"), "not replaced")
    before, after = reader.end()
    check(before == after == b"the old version\r\n"[:15] + b"t\r\n", "the reader saw", before, after)
    shutil.copy("old", "file")
    reader = Reader("file", "alone")
    out = run(WINDOWS, "dxpatch", "apply-in-place", "file", "patch", status=5)
    check("open in another program" in out, out)
    reader.end()
    check(get("file") == get("old") and sorted(os.listdir(".")) == ["file", "new", "old", "patch"], os.listdir("."))
    os.chmod("file", 0o444) # read-only there, too
    run(WINDOWS, "dxpatch", "apply-in-place", "file", "patch")
    check(get("file") == get("new"), "a read-only file was not replaced")
    return "a sharing reader keeps the old version, one that does not share keeps the file"


def long_paths_and_names_in_any_script():
    folder = "/".join(["folder with a long name, " * 4] * 4)[:-1] + "x"
    name = folder + "/Größe-日本語-🎛.bin"
    old, new = versions(50000, 2)
    put(name, old)
    put("new", new)
    check(len(os.path.abspath(name)) > 400, "not long")
    run(WINDOWS, "dxpatch", "diff", name, "new", "patch ü")
    run(WINDOWS, "dxpatch", "apply-in-place", name.replace("/", "\\"), "patch ü")
    check(get(name) == new, "not the target")
    check(os.listdir(folder) == ["Größe-日本語-🎛.bin"], os.listdir(folder))
    return f"a path of {len(os.path.abspath(name))} characters"


def names_that_are_devices_or_streams_are_refused():
    put("a", b"1")
    for bad in ("NUL", "con", "aux.txt", "COM1", "lpt9.x", "file:stream", "what?", "a<b", "dot.", "space ", "COM¹"):
        out = run(WINDOWS, "dxpatch", "diff", "a", "a", bad, status=1)
        check("cannot be a destination" in out, bad, out)
    check(os.listdir(".") == ["a"], os.listdir("."))
    return "eleven names"


# ---- start
def missing():
    for tool in ("x86_64-w64-mingw32-gcc", "wine"):
        if not shutil.which(tool):
            return "no " + tool
    return None


def main():
    cases = [patches_are_the_same_bytes_on_both_systems, a_file_is_replaced_while_others_have_it_open,
             long_paths_and_names_in_any_script, names_that_are_devices_or_streams_are_refused]
    why = missing()
    if why:
        print(f"skip windows: {why}\nwindows: 0 passed, 0 failed, 1 skipped")
        return 0
    cases = [c for c in cases if not sys.argv[1:] or any(f in c.__name__ for f in sys.argv[1:])]
    made = subprocess.run(["make", "-s", "-j2", "build/dxpatch"] + [f"build/windows/{name}.exe" for name in programs], cwd=top, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode or b"warning" in made.stdout:
        print("FAIL the programs do not build without a warning\n" + made.stdout.decode())
        print("windows: 0 passed, 1 failed, 0 skipped")
        return 1
    os.makedirs(environment["WINEPREFIX"], exist_ok=True)
    lock = open(os.path.join(environment["WINEPREFIX"], "lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # other suites use the same prefix
    # What wine itself starts holds the output of the first program that runs: that one has none, and stays.
    keeper = subprocess.Popen(command(WINDOWS, "reader", __file__, "share"), env=environment, stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    passed = failed = 0
    for case in cases:
        work = tempfile.mkdtemp()
        os.chdir(work)
        began = time.time()
        try:
            said = case()
            passed += 1
            print(f"ok   {case.__name__}: {said} ({time.time() - began:.1f} s)", flush=True)
        except (Failure, subprocess.TimeoutExpired, OSError) as why:
            failed += 1
            print(f"FAIL {case.__name__}: {why}", flush=True)
        os.chdir(top)
        shutil.rmtree(work, ignore_errors=True)
    keeper.communicate(b"\n", timeout=20)
    subprocess.run(["wineserver", "-k"], env=environment)
    print(f"windows: {passed} passed, {failed} failed, 0 skipped")
    return failed != 0


sys.exit(main())
