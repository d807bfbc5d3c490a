#!/usr/bin/env python3
"""dxpatch, dxup and dxecho built for Windows, run in wine, together with the same programs of this system.
usage: windows.py [FILTER...]       runs the cases whose name contains one of the filters"""
import fcntl, os, pty, random, re, select, shutil, socket, stat, subprocess, sys, tempfile, time, urllib.request

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.path.join(top, "build")
programs = {name: os.path.join(build, "windows", name + ".exe") for name in ("dxpatch", "dxup", "dxecho", "reader")}
# dxup.exe has no zstd: neither has this system's dxup whose stores it opens.
here = {"dxpatch": os.path.join(build, "dxpatch"), "dxup": os.path.join(build, "windows", "dxup"),
        "dxup with zstd": os.path.join(build, "dxup")}
# wine takes names and arguments in the character set of the locale.
environment = dict(os.environ, LC_ALL="C.UTF-8", WINEPREFIX=os.path.join(build, "wine"), WINEDEBUG="-all",
                   WINEDLLOVERRIDES="mscoree,mshtml=")
environment.pop("DISPLAY", None)


# ---- kit
class Failure(Exception):
    pass


def listed():
    """The files here, except the notes of pulls about their destinations (.NAME.dxup, .NAME.dxup-seen)."""
    return sorted(n for n in os.listdir(".") if not (n.startswith(".") and n.endswith((".dxup", ".dxup-seen"))))


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


def command(windows, name, *arguments):
    return (["wine", programs[name]] if windows else [here[name]]) + list(arguments)


def start(windows, name, *arguments, **options):
    return subprocess.Popen(command(windows, name, *arguments), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, **options)


def run(windows, name, *arguments, status=0):
    """Returns its output; another exit status is a failure."""
    done = subprocess.run(command(windows, name, *arguments), env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=600)
    out = done.stdout + done.stderr
    check(done.returncode == status, f"status {done.returncode} instead of {status}:", name, arguments, out)
    return out.decode(errors="replace")


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
    """Two contents that are mostly the same."""
    r = random.Random(seed)
    old = r.randbytes(size)
    return old, old[:size // 3] + b"what is new" + old[size // 3:size // 2] + r.randbytes(500) + old[size // 2:]


LINUX, WINDOWS = False, True


class Reader:
    """A Windows program that has a file open."""

    def __init__(self, path, share):
        self.process = start(WINDOWS, "reader", path, share)
        self.first = self.process.stdout.readline()

    def end(self):
        out, _ = self.process.communicate(b"\n", timeout=300)
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


# ---- dxup
class Server:
    def __init__(self, system, store, *options, program="dxup"):
        self.process = start(system, program, "serve", store, "--listen", "127.0.0.1:0", *options)
        self.addresses = [self.process.stdout.readline().split()[2].decode() for _ in range(2 if "--http" in options else 1)]
        self.address = self.addresses[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def pull(system, server, name, path, outcome, *options):
    """The fields of its report; any other outcome is a failure."""
    fields = dict(f.split("=", 1) for f in run(system, "dxup", "pull", server.address, name, path, "--report", *options).split())
    check(fields["outcome"] == outcome, name, "was pulled as", fields["outcome"], "instead of", outcome)
    return int(fields["wire"])


def tree(seed, more=b""):
    """A folder with files of several modes, names and sizes."""
    r = random.Random(seed)
    for name, mode, size in (("app", 0o755, 200000), ("lib/große.so", 0o644, 90000), ("lib/日本/leer", 0o600, 0),
                             ("lib/読.txt", 0o444, 3000), ("etc/only for me", 0o700, 10)):
        put("tree/" + name, r.randbytes(size) + (more if size > 1000 else b""))
        os.chmod("tree/" + name, mode)
    os.chmod("tree/etc", 0o750)


def content_of(folder):
    return {os.path.relpath(os.path.join(at, name), folder): get(os.path.join(at, name))
            for at, _, names in os.walk(folder) for name in names if name != ".dxup-modes"}


def stores_and_pulls_between_linux_and_windows():
    old, new = versions(2000000, 3)
    said = []
    for publisher, server_system, client in ((WINDOWS, WINDOWS, LINUX), (LINUX, LINUX, WINDOWS), (WINDOWS, LINUX, WINDOWS),
                                             (LINUX, WINDOWS, WINDOWS)):
        put("file", old)
        run(publisher, "dxup", "publish", "store", "app", "file")
        with Server(server_system, "store") as server:
            wires = [pull(client, server, "app", "got", "full"), pull(client, server, "app", "got", "unchanged")]
            put("file", new)
            run(not publisher, "dxup", "publish", "store", "app", "file")  # the other one appends while it is served
            wires.append(pull(client, server, "app", "got", "patch"))
            check(get("got") == new, "pulled something else")
            put("got", b"no version")
            pull(client, server, "app", "got", "full", "--force")
            check(get("got") == new, "pulled something else")
            run(client, "dxup", "pull", server.address, "none", "x", status=2)
        run(LINUX, "dxup", "verify", "store")
        run(WINDOWS, "dxup", "verify", "store")
        check(run(LINUX, "dxup", "log", "store", "app") == run(WINDOWS, "dxup", "log", "store", "app"), "logs differ")
        said.append("/".join(str(w) for w in wires))
        shutil.rmtree("store")
        os.unlink("got")
    check(listed() == ["file"], "left behind:", listed())
    return "bytes for whole/unchanged/patch of 2,000,000: " + ", ".join(said)


def a_server_with_zstd_feeds_clients_without():
    put("file", b"what compresses well " * 50000)
    run(LINUX, "dxup with zstd", "publish", "store", "app", "file")
    with Server(LINUX, "store", program="dxup with zstd") as server:
        whole = pull(WINDOWS, server, "app", "got", "full")
        put("file", get("file").replace(b"well " * 1, b"fine ", 3))
        run(LINUX, "dxup with zstd", "publish", "store", "app", "file")
        wire = pull(WINDOWS, server, "app", "got", "patch")
    check(get("got") == get("file"), "pulled something else")
    if os.path.getsize("store/objects") < 500000:  # it does have zstd
        out = run(WINDOWS, "dxup", "checkout", "store", "app", "got", status=5)
        check("built without zstd" in out, out)
    return f"whole {whole}, patch {wire} bytes; its store itself is refused by name"


def a_tree_keeps_its_modes_through_windows():
    tree(1)
    run(LINUX, "dxup", "publish", "store", "t", "tree")
    with Server(WINDOWS, "store") as server:
        pull(WINDOWS, server, "t", "got", "full")
        check(content_of("got") == content_of("tree"), "pulled something else")
        pull(WINDOWS, server, "t", "got", "unchanged")
        tree(1, b"more")
        run(LINUX, "dxup", "publish", "store", "t", "tree")
        wire = pull(WINDOWS, server, "t", "got", "patch")
        check(content_of("got") == content_of("tree"), "patched to something else")
        pull(LINUX, server, "t", "linux", "full")
        check(stat.S_IMODE(os.stat("linux/etc").st_mode) == 0o750 and stat.S_IMODE(os.stat("linux/app").st_mode) == 0o755, "modes")
        put("got/local", b"mine")
        tree(2)
        run(LINUX, "dxup", "publish", "store", "t", "tree")
        out = run(WINDOWS, "dxup", "pull", server.address, "t", "got", status=6)
        check("changed locally" in out and get("got/local") == b"mine", out)
        pull(WINDOWS, server, "t", "got", "full", "--force")
        check(content_of("got") == content_of("tree"), "forced to something else")
        pull(LINUX, server, "t", "linux", "patch")
    run(WINDOWS, "dxup", "publish", "again", "t", "got")
    with Server(LINUX, "again") as server:
        pull(LINUX, server, "t", "linux", "unchanged")  # names, modes, bytes: all went through Windows
    check(listed() == ["again", "got", "linux", "store", "tree"], "left behind:", listed())
    return f"the same hash on both, a patch of {wire} bytes"


def trees_that_windows_cannot_hold_are_refused():
    bad = [b"CON", b"nul.txt", b"LPT1", b"a:b", b"back\\slash", b"..\\..\\evil", b"C:\\evil", b"star*", b"q?", b"dot.", b"space ", b"pipe|",
           b"line\nfeed", b"\xff\xfe", b"\xed\xa0\x80", b".dxup-modes"]
    for i, name in enumerate(bad):
        os.makedirs("tree/below")
        put(b"tree/" + name if name[0] == ord(".") else b"tree/below/" + name, b"evil")
        run(LINUX, "dxup", "publish", "store", "t", "tree")
        out = run(WINDOWS, "dxup", "checkout", "store", "t", "got", status=6)
        check(": " in out and not os.path.lexists("got"), name, out)
        shutil.rmtree("tree")
    os.mkdir("tree")
    os.symlink("../../evil", "tree/link")
    run(LINUX, "dxup", "publish", "store", "t", "tree")
    out = run(WINDOWS, "dxup", "checkout", "store", "t", "got", status=6)
    check("link is a symbolic link" in out, out)
    os.unlink("tree/link")
    put("tree/Readme", b"1")
    put("tree/README", b"2")
    run(LINUX, "dxup", "publish", "store", "t", "tree")
    out = run(WINDOWS, "dxup", "checkout", "store", "t", "got", status=5)
    check("upper and lower case" in out, out)
    with Server(LINUX, "store") as server:
        run(WINDOWS, "dxup", "pull", server.address, "t", "got", status=5)
    check(listed() == ["store", "tree"], "left behind:", listed())
    for folder in ("..", "../..", os.path.join(environment["WINEPREFIX"], "drive_c")):
        check(not any("evil" in name for name in os.listdir(folder)), "something was written to", folder)
    return f"{len(bad) + 2} trees of Linux"


def what_is_open_is_replaced_or_kept():
    old, new = versions(100000, 4)
    put("file", b"the old version:" + old)
    tree(5)
    run(LINUX, "dxup", "publish", "store", "f", "file")
    run(LINUX, "dxup", "publish", "store", "t", "tree")
    with Server(LINUX, "store") as server:
        pull(WINDOWS, server, "f", "got", "full")
        pull(WINDOWS, server, "t", "folder", "full")
        put("file", b"the new version:" + new)
        tree(6)
        run(LINUX, "dxup", "publish", "store", "f", "file")
        run(LINUX, "dxup", "publish", "store", "t", "tree")
        before = content_of("folder")
        alone, inside = Reader("got", "alone"), Reader("folder/app", "alone")
        for name, path in (("f", "got"), ("t", "folder")):
            out = run(WINDOWS, "dxup", "pull", server.address, name, path, "--force", status=5)
            check("open in another program" in out or "access denied" in out, out)
        alone.end()
        inside.end()
        check(get("got").startswith(b"the old version") and content_of("folder") == before, "something has changed")
        shared = Reader("got", "share")
        pull(WINDOWS, server, "f", "got", "patch")
        first, second = shared.end()
        check(first == second and get("got") == get("file"), "the reader lost its version")
        pull(WINDOWS, server, "t", "folder", "patch")
        check(content_of("folder") == content_of("tree"), "not replaced")
    check(listed() == ["file", "folder", "got", "store", "tree"], "left behind:", listed())
    return "a file and a tree, by programs that share them and that do not"


def the_store_is_collected_while_it_is_served():
    with open("file", "wb") as f:
        f.write(random.Random(7).randbytes(300000))
    run(WINDOWS, "dxup", "publish", "store", "f", "file")
    with Server(WINDOWS, "store", "--http", "127.0.0.1:0") as server:
        pull(LINUX, server, "f", "got", "full")
        for i in range(3):
            put("file", random.Random(8 + i).randbytes(300000))
            run(WINDOWS, "dxup", "publish", "store", "f", "file")
            run(WINDOWS, "dxup", "gc", "store", "--keep", "1")
            pull(LINUX, server, "f", "got", "full")
            check(get("got") == get("file"), "pulled something else")
        size = os.path.getsize("store/objects")
        check(size < 500000, "the store still has", size)
        url = f"http://{server.addresses[1]}/f"
        with urllib.request.urlopen(url) as answer:
            check(answer.read() == get("file"), "another file by HTTP")
            tag = answer.headers["ETag"]
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": tag}))
            check(False, "no 304")
        except urllib.error.HTTPError as error:
            check(error.code == 304, error)
        out = run(WINDOWS, "dxup", "serve", "store", "--listen", server.address, status=5)
        check("address is in use" in out, out)
    lock = Reader("file", "alone")
    shutil.copy("file", "store/lock")
    lock = Reader("store/lock", "alone")
    out = run(WINDOWS, "dxup", "publish", "store", "f", "file", status=6)
    check("being written by another process" in out, out)
    return f"three times; {size} bytes at the end; HTTP: 200, 304"


def killed_pulls_and_publications():
    content = random.Random(9).randbytes(40000000)
    put("file", content)
    put("got", b"the old version")
    run(WINDOWS, "dxup", "publish", "store", "f", "file")
    put("file", content[:-1])
    killed = pulls = 0
    for delay in (0.2, 0.3, 0.4, 0.5):
        victim = start(WINDOWS, "dxup", "publish", "store", "f", "file")
        time.sleep(delay)
        victim.kill()
        victim.communicate()
        run(LINUX, "dxup", "verify", "store")
        killed += victim.returncode != 0
    with Server(WINDOWS, "store") as server:
        for number, size in enumerate((1, 5000000, 20000000) + (5000000,) * 20):
            if number >= 3 and pulls:
                break # more of them if kills come too late
            put("got", b"the old version")
            victim = start(WINDOWS, "dxup", "pull", server.address, "f", "got", "--force")
            while victim.poll() is None and not (os.path.exists(".got.dxup-part") and os.path.getsize(".got.dxup-part") >= size):
                time.sleep(0.001)
            victim.kill()
            victim.communicate()
            check(get("got") in (b"the old version", content, content[:-1]), "half a version")
            kept = get("got") == b"the old version"
            pulls += kept
        check(pulls, "no pull was killed in time")
        report = run(WINDOWS, "dxup", "pull", server.address, "f", "got", "--report", "--force")
        check(not kept or " kept=0 " not in report, "what the killed one brought was fetched again:", report)
        check(len(get("got")) >= len(content) - 1 and get("got")[:-1] == content[:len(get("got")) - 1], "not the new version")
        pull(LINUX, server, "f", "got", "unchanged")
    check(listed() == ["file", "got", "store"], "left behind:", listed())
    return f"{killed} publications and {pulls} pulls killed, then whole"


# ---- dxecho
def dxecho_answers_clients_of_linux():
    said = []
    for option, names in (([], ("pings_and_calls", "every_split", "deep_pipeline", "half_close", "bad_frames", "random_bytes",
                                "resets")),
                          (["--http"], ("http",)), (["--plain"], ("plain",))):
        server = start(WINDOWS, "dxecho", "0", *option)
        line = server.stdout.readline().decode()
        check("iocp" in line, line)
        port = line.split(",")[0].rsplit(":", 1)[1]
        for name in names:
            done = subprocess.run([sys.executable, os.path.join(top, "tests", "programs", "dxecho_cases.py"), name, port, str(server.pid)],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
            check(done.returncode == 0, name, done.stderr.decode()[-500:])
            check(server.poll() is None, "dxecho ended after", name)
            said.append(name)
        if not option:
            peers = [socket.create_connection(("127.0.0.1", int(port)), 300) for _ in range(100)]  # wine is slow with more
            for i, peer in enumerate(peers):
                peer.sendall(bytes([0, 0, i, 0, 1, 0, 0, 0, i]))  # a Ping
            check(all(peer.recv(9, socket.MSG_WAITALL) == bytes([1, 0, i, 0, 1, 0, 0, 0, i]) for i, peer in enumerate(peers)), "not its Pong")
            for peer in peers:
                peer.close()
            said.append("100 connections")
        server.kill()
        server.communicate()
    run(WINDOWS, "dxecho", "0", "--workers", "2", status=1)
    return ", ".join(said)


# ---- console
def plain(shown):
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)


def in_console(seconds, until, *arguments, then=b""):
    """A program's console output up to the text `until`; then it gets the keys `then`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("wine", ["wine"] + list(arguments), dict(environment, TERM="xterm"))
    shown, end = b"", time.time() + seconds
    while time.time() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
        if until and until in plain(shown):
            until = None
            os.write(terminal, then)
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(status)


def progress_and_ctrl_c_in_a_console():
    put("größe", bytes(60000000))
    shown, status = in_console(600, None, programs["dxup"], "publish", "store", "größe", "größe")
    check(status == 0 and b"MB" in plain(shown) and shown.count(b"\x1b[K") > 1, status, shown[-300:])
    out = run(WINDOWS, "dxup", "publish", "store", "again", "größe")
    check("\x1b" not in out and "\r" not in out, "escapes in a pipe:", out)
    shown, status = in_console(300, b"iocp", programs["dxup"], "serve", "store", "--listen", "127.0.0.1:0", then=b"\x03")
    check(status == 0, "status", status, "after Ctrl-C", shown[-300:])
    return "shown in a console, not in a pipe; Ctrl-C ends a server with status 0"


# ---- start
def missing():
    for tool in ("x86_64-w64-mingw32-gcc", "wine"):
        if not shutil.which(tool):
            return "no " + tool
    return None


def main():
    cases = [patches_are_the_same_bytes_on_both_systems, a_file_is_replaced_while_others_have_it_open,
             long_paths_and_names_in_any_script, names_that_are_devices_or_streams_are_refused,
             stores_and_pulls_between_linux_and_windows, a_server_with_zstd_feeds_clients_without,
             a_tree_keeps_its_modes_through_windows, trees_that_windows_cannot_hold_are_refused, what_is_open_is_replaced_or_kept,
             the_store_is_collected_while_it_is_served, killed_pulls_and_publications,
             dxecho_answers_clients_of_linux, progress_and_ctrl_c_in_a_console]
    why = missing()
    if why:
        print(f"skip windows: {why}\nwindows: 0 passed, 0 failed, 1 skipped")
        return 0
    cases = [c for c in cases if not sys.argv[1:] or any(f in c.__name__ for f in sys.argv[1:])]
    made = subprocess.run(["make", "-s", "-j2", "build/dxpatch", "build/dxup", "build/windows/dxup"] + [f"build/windows/{name}.exe" for name in programs], cwd=top, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode or b"warning" in made.stdout:
        print("FAIL the programs do not build without a warning\n" + made.stdout.decode())
        print("windows: 0 passed, 1 failed, 0 skipped")
        return 1
    os.makedirs(environment["WINEPREFIX"], exist_ok=True)
    lock = open(os.path.join(environment["WINEPREFIX"], "lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # other suites use the same prefix
    # Processes started by wine itself keep the output of the first program open: use a file for that one, which stays.
    said = tempfile.TemporaryFile()
    keeper = subprocess.Popen(command(WINDOWS, "reader", os.path.abspath(__file__), "share"), env=environment,
                              stdin=subprocess.PIPE, stdout=said, stderr=subprocess.DEVNULL)
    while keeper.poll() is None and os.fstat(said.fileno()).st_size == 0:
        time.sleep(0.02)
    passed = failed = 0
    for case in cases:
        work = tempfile.mkdtemp()
        os.chdir(work)
        began = time.time()
        try:
            said = case()
            passed += 1
            print(f"ok   {case.__name__}: {said} ({time.time() - began:.1f} s)", flush=True)
        except (Failure, subprocess.SubprocessError, OSError, ValueError, IndexError, KeyError) as why:
            failed += 1
            print(f"FAIL {case.__name__}: {why}", flush=True)
        os.chdir(top)
        shutil.rmtree(work, ignore_errors=True)
    keeper.communicate(b"\n", timeout=300)
    subprocess.run(["wineserver", "-k"], env=environment)
    print(f"windows: {passed} passed, {failed} failed, 0 skipped")
    return failed != 0


sys.exit(main())
