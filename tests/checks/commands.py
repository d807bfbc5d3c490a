#!/usr/bin/env python3
"""Every command that README.md, docs/, the READMEs of examples and of bench/, `make help` and the programs' help show is run in a
fresh copy of the tree, like a fresh clone, or is listed here with the reason why not. A command that is neither fails this gate,
and so does a listed one that is no longer shown anywhere. Named files and folders must exist.

DX_TIER: as in lib.sh."""
import fcntl, glob, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time, urllib.request

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
TIER = os.environ.get("DX_TIER", "")
NATIVE = {"cc", "gcc", "make", "python3"}
DOCUMENTS = ["README.md", "SECURITY.md", *sorted(glob.glob("docs/*.md", root_dir=TOP)), *sorted(glob.glob("docs/formats/*.md", root_dir=TOP)),
             *sorted(glob.glob("layers/README.md", root_dir=TOP)), *sorted(glob.glob("programs/*/README.md", root_dir=TOP)),
             *sorted(glob.glob("examples/*/README.md", root_dir=TOP)), *sorted(glob.glob("bench/*.md", root_dir=TOP))]
work = tempfile.mkdtemp()
counts = {"ok": 0, "FAIL": 0, "skip": 0}
servers = []


def say(what, text):
    counts[what] += 1
    print(f"{what:4} {text}", flush=True)


# ---- commands that are shown
PROGRAMS = {"dxup", "dxpatch", "dxecho", "dxkeep", "dxwan", "dxdb", "make", "cc"}


def is_command(text):
    words = [w for w in text.split() if not re.match(r"^[A-Z_]+=", w)]
    first = words[0] if words else ""
    return first in PROGRAMS or (re.match(r"^(build|examples|tests|bench)/\S*$", first) and (len(words) > 1 or first.endswith(".sh")))


def plain(text):
    return re.sub(r"\s+", " ", re.sub(r"\s{2,}#.*$|\s{3,}[a-z].*$", "", text.strip())).strip()


def shown_in(document):
    """(line, kind, text) of everything that looks like a command, and of paths in running text."""
    fence = None
    for number, line in enumerate(open(os.path.join(TOP, document)), 1):
        opening = re.match(r"^```(.*)$", line)
        if opening:
            fence = None if fence is not None else opening[1].strip()
        elif fence is not None or line.startswith("    "):
            if fence and fence.startswith("sh") and document in ("docs/vendoring.md", "docs/dxkeep-recipes.md"):
                continue # vendoring.sh and tests/programs/test_dxkeep_recipes.py run these
            if is_command(line.strip()):
                yield number, "block", plain(line)
        else:
            for code in re.findall(r"`([^`]+)`", line):
                if is_command(code):
                    yield number, "inline", plain(code)
                elif re.match(r"^(docs|examples|tests|bench|style)/[\w./-]*$", code):
                    yield number, "path", code


# ---- running
def loopback_of_its_own():
    """A network namespace, so that ports named in documents are free. If that is not allowed, the machine's own."""
    try:
        import ctypes
        if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0: # CLONE_NEWNET
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = struct.pack("16sh", b"lo", 0x1 | 0x40) # IFF_UP, IFF_RUNNING
            fcntl.ioctl(s, 0x8914, request) # SIOCSIFFLAGS
    except (OSError, AttributeError):
        pass


def fresh():
    """A folder with the files of the tree, nothing else: no build/."""
    folder = tempfile.mkdtemp(dir=work)
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP, capture_output=True) \
        if shutil.which("git") and os.path.exists(os.path.join(TOP, ".git")) else None
    if listed and not listed.returncode:
        names = [n for n in listed.stdout.decode().split("\0") if n and os.path.exists(os.path.join(TOP, n))]
    else:
        names = [os.path.relpath(os.path.join(at, n), TOP) for at, folders, files in os.walk(TOP) for n in files
                 if not re.match(r"(\./)?(\.git|build)(/|$)", os.path.relpath(os.path.join(at, n), TOP))]
    for name in names:
        target = os.path.join(folder, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(TOP, name), target)
    return folder


def environment(folder):
    # Without optimisation: this tests whether commands work. No surrounding make: a reader has none either.
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "DX_", "CI", "LOGS", "JOBS", "ZSTD"))}
    return dict(keep, CFLAGS="-O0", PATH=os.path.join(folder, "build") + ":" + keep["PATH"], DESTDIR=os.path.join(folder, "root"))


class Wrong(Exception):
    pass


def run(folder, command, expect="", seconds=600):
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Wrong(f"'{command}' ended with status {done.returncode}: {text[-600:]}")
    if expect not in text:
        raise Wrong(f"'{command}' does not say '{expect}': {text[-600:]}")
    return text


def start(folder, command, expect="listening on", seconds=300):
    """In the background, until it prints the expected text."""
    log = open(os.path.join(folder, "server.log"), "w+b")
    process = subprocess.Popen(["bash", "-c", "exec " + command], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
                               stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    servers.append(process)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = open(log.name, errors="replace").read()
        if expect in text:
            return process
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise Wrong(f"'{command}' does not say '{expect}': {text[-600:]}")


def stop():
    while servers:
        process = servers.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


# ---- the cases: their requirements, their commands. Those of one folder share a build.
def demo(folder):
    """The table has the rows of README's picture, and the bytes of an unchanged pull, which are the same everywhere. The others
    depend on the compiler: roughly equal, and a small part for an update."""
    def table(text):
        rows = re.findall(r"^(first copy|update|unchanged)  +(\w+(?: version)?) +(\d+) +(?:\d+\.\d\d %|not here) ", text, re.M)
        return [row[:2] for row in rows], [int(row[2]) for row in rows]
    with open(os.path.join(folder, "docs/demo.svg")) as file:
        shown = table(re.sub(r"<[^>]*>", "", file.read().replace("\u00a0", " ")))
    took = table(run(folder, "make demo", "unchanged"))
    if shown[0] != took[0] or len(took[1]) != 3:
        raise Wrong(f"docs/demo.svg shows {shown}, make demo prints {took}")
    first, update, unchanged = took[1]
    if unchanged != shown[1][2]:
        raise Wrong(f"an unchanged pull takes {unchanged} bytes; docs/demo.svg shows {shown[1][2]}")
    if not shown[1][0] / 3 < first < 3 * shown[1][0] or not shown[1][1] / 3 < update < 3 * shown[1][1] or 4 * update > first:
        raise Wrong(f"a first copy takes {first} and an update {update} bytes; docs/demo.svg shows {shown[1]}")


def own_files(folder):
    shutil.copy(os.path.join(folder, "build/demo/dxup-1"), os.path.join(folder, "app-1.0"))
    shutil.copy(os.path.join(folder, "build/demo/dxup-2"), os.path.join(folder, "app-1.1"))
    run(folder, "make demo OLD=app-1.0 NEW=app-1.1", "unchanged")


def example(folder):
    program = re.search(r"^```c\n(.*?int main.*?)^```", open(os.path.join(folder, "README.md")).read(), re.S | re.M)[1]
    alone = os.path.join(folder, "alone")
    os.mkdir(alone)
    open(os.path.join(alone, "example.c"), "w").write(program)
    shutil.copy(os.path.join(folder, "dx_patch.h"), alone)
    run(alone, "cc -o example example.c && ./example", "south wall")


def readme_dxup(folder):
    shutil.copy(os.path.join(folder, "build/dxup"), os.path.join(folder, "build/app"))
    run(folder, "dxup publish store app ./build/app", "published")
    start(folder, "dxup serve store --listen 127.0.0.1:7000")
    run(folder, "dxup pull 127.0.0.1:7000 app ./app && cmp app build/app", "full")
    run(folder, "dxup pull 127.0.0.1:7000 app@1 ./app", "unchanged")
    with open(os.path.join(folder, "dxup.toml"), "w") as f:
        f.write('[pull]\naddress = "127.0.0.1:7000"\nlimit-rate = "2M"\n')
    run(folder, "dxup pull app ./app --config dxup.toml", "unchanged")
    run(folder, "rm app")
    start(folder, "dxup watch 127.0.0.1:7000 app ./app", "on the wire")
    stop()


def help_and_suites(folder):
    run(folder, "make help", "make test-all")
    run(folder, "make suites", "test_dxup.asan")
    run(folder, "make messages", "out of memory")


def everything(folder):
    run(folder, "make all && test -x build/dxup -a -x build/dxpatch -a -x build/dxecho -a -x build/dxkeep -a -x build/dxwan")
    run(folder, "make hello && build/hello_cas")


def install(folder):
    run(folder, "make install PREFIX=/usr/local && test -x root/usr/local/bin/dxup -a -s root/usr/local/include/dx_cas.h")
    run(folder, "make install && test -x root/usr/local/bin/dxpatch -a -s root/usr/local/include/dx/dx_tree.h")
    run(folder, "make uninstall && test ! -e root/usr/local/bin/dxup -a ! -e root/usr/local/share/doc/dx")
    run(folder, "cp -r docs/man before && make texts && diff -r docs/man before")


def feed(folder):
    run(folder, "examples/feed/build.sh build/feed && build/feed/consumer build/feed/ticks create")
    run(folder, "build/feed/producer build/feed/ticks 1000000 & build/feed/consumer build/feed/ticks 1000000; wait", "1000000 ticks")


def clients(folder):
    run(folder, "make build/asan/hbtp_peer && tests/readers/hbtp_clients.py calls", " 0 failed")


def clean(folder):
    run(folder, "make clean && test ! -e build")


def firmware(folder):
    text = run(folder, "make run-firmware", seconds=900)
    if text.count("application 2 runs from flash") != 2:
        raise Wrong("not two boards with version 2: " + text[-600:])


def www(folder):
    """A second one on the same address says so and leaves the first alone; on another port both serve."""
    def fetched(address):
        page = urllib.request.urlopen(f"http://{address}/", timeout=60).read()
        app = urllib.request.urlopen(f"http://{address}/app.dxs", timeout=60).read()
        if b"<html" not in page.lower() or len(app) < 100000:
            raise Wrong(f"not a page with an application: {page[:200]}, {len(app)} bytes")
    start(folder, "make run-www", "for HTTP", 900)
    fetched("127.0.0.1:8000")
    run(folder, "! make run-www >said 2>&1 && grep -q 'already in use' said")
    fetched("127.0.0.1:8000")
    start(folder, "make run-www PORT=8001 ADDR=127.0.0.2", "for HTTP", 900)
    fetched("127.0.0.2:8001")
    fetched("127.0.0.1:8000")
    stop()


def feed_page(folder):
    start(folder, "make run-feed", "open http://127.0.0.1:8000/", 900)
    page = urllib.request.urlopen("http://127.0.0.1:8000/", timeout=60).read()
    if page.count(b"<tr") < 1000:
        raise Wrong(f"{page.count(b'<tr')} rows")
    run(folder, "! make run-feed >said 2>&1 && grep -q 'already in use' said")
    if urllib.request.urlopen("http://127.0.0.1:8000/app.dxs", timeout=60).status != 200:
        raise Wrong("a second one breaks the first")
    stop()


def todo(folder):
    start(folder, "make run-todo", "open http://127.0.0.1:8000/", 900)
    for end, path in [(time.monotonic() + 60, p) for p in ("", "todo.wasm", "page_host.js")]:
        while True:
            try:
                if len(urllib.request.urlopen(f"http://127.0.0.1:8000/{path}", timeout=60).read()) > 300:
                    break
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)
    stop()
    run(folder, "examples/todo/build.sh build/todo && test -s build/todo/todo.wasm")


def windows(folder):
    run(folder, "make windows && test -s build/windows/dxup.exe -a -s build/windows/dxpatch.exe", seconds=900)


def windows_32(folder):
    run(folder, "make windows WINDOWS_CC=i686-w64-mingw32-gcc", seconds=900)


def size(folder):
    run(folder, "make size", "dx_cas.h", 900)


def pictures(folder):
    before = {path: open(path, "rb").read() for path in glob.glob(os.path.join(folder, "bench/**/*.svg"), recursive=True)}
    run(folder, "make bench")
    changed = [path for path, bytes in before.items() if open(path, "rb").read() != bytes]
    if changed or not before:
        raise Wrong(f"these charts are not what the CSV files say: {changed}")
    run(folder, "make demo-picture && grep -q '</svg>' docs/demo.svg")


def check_usage(calls, texts):
    """Every way to call a program that is shown has a call here, with every option that is shown for it; all calls work."""
    known = {}
    for call in calls:
        known.setdefault(called(call), set()).update(re.findall(r"(?<![\w-])--[a-z][-a-z]*", call))
    for where, text in texts:
        if called(text) not in known:
            raise Wrong(f"{where} shows '{text}', which is not tried")
        for option in re.findall(r"(?<![\w-])--[a-z][-a-z]*", text):
            if option not in known[called(text)]:
                raise Wrong(f"{where} shows the option {option} of {called(text)}, which is not tried")


def dxup(folder):
    inside = os.path.join(folder, "inside")
    os.mkdir(inside)
    os.symlink(os.path.join(folder, "build"), os.path.join(inside, "build"))
    pulled = "--no-times --no-xattrs --no-hard-links --no-sparse --no-specials --numeric-owner"
    left_out = pulled.replace("--no-times", "--no-owner")
    calls = [f"dxup publish store tree ../examples --workers 2 --quiet {left_out}", f"dxup checkout store tree without --no-times {left_out}", "dxup publish store file ../README.md",
             "dxup log store", "dxup log store tree --json", "dxup ls store tree@1 --recursive --json", "dxup cat store tree:hello/hello_cas.c",
             "dxup publish store file ../README.md --dry-run --json",
             "dxup publish store part ../examples --include '*.c' --include '*/' --exclude '*'",
             "dxup checkout store tree nowhere --dry-run --json --entries-max 100000 --size-max 1000000000", "dxup verify store --json", "dxup gc store --keep 1 --dry-run --json",
             "dxup diff store tree file --json --no-cost", "dxup diff store tree tree --patch-max 1000000",
             "dxup tag store tree@1 stable --quiet", "dxup tag store tree beta --json", "dxup tag store tree beta --remove",
             "dxup publish store old ../README.md", "dxup tag store old first", "dxup rm store old --dry-run --force --json",
             "dxup publish store old ../LICENSE", "dxup publish store other-kind ../README.md", "dxup publish store other-kind ../examples --force", "dxup rm store old@1 --older --force --quiet", "dxup checkout store tree@1 out --workers 2", "dxup checkout store file out-file --force --quiet",
             "dxup verify store", "dxup verify store --quiet", "dxup gc store --keep 1 --pack", "dxup gc store --quiet",
             "dxup serve store --listen 127.0.0.1:7001 --push 127.0.0.1:7012 --entries-max 1000000 --size-max 1000000000 --http 127.0.0.1:7002 --status 127.0.0.1:7005 --workers 2 --backend epoll --patch-max 1000000 --connections 9 --connections-per-address 8 --log serve.log --allow-origin '*'",
             "dxup serve store --listen 127.0.0.1:7006 --json", "dxup pull 127.0.0.1:7006 file got-json --json", "dxup ls 127.0.0.1:7006 tree", "dxup pull 127.0.0.1:7006 tree got-none --dry-run",
             f"dxup pull 127.0.0.1:7001 tree got-less --owner {pulled}",
             "dxup pull 127.0.0.1:7001 tree@1 got-first --entries-max 100000 --size-max 1000000000",
             "dxup pull 127.0.0.1:7001 tree got --force --connections 2 --backend epoll --report", "dxup pull 127.0.0.1:7001 tree seeded --seed got --checksum", "dxup pull 127.0.0.1:7001 file got-file --quiet --timeout 30",
             f"dxup pull 127.0.0.1:7001 file got-slowly --limit-rate 10000000 --exec 'test $DXUP_TO = 1'",
             f"dxup watch 127.0.0.1:7001 tree watched --interval 1 --owner {pulled} --force --entries-max 100000 --size-max 1000000000 --connections 1 --backend epoll --seed got --checksum --limit-rate 10000000 --exec true",
             "dxup watch 127.0.0.1:7001 file watched-file --quiet --exec 'echo ready'", "dxup watch 127.0.0.1:7001 file watched-json --json --timeout 30", "dxup watch 127.0.0.1:7001 file watched-report --report", "dxup help", "dxup help pull", "dxup --version"]
    with open(os.path.join(inside, "FILE"), "w") as f:
        f.write('[publish]\nstore = "store"\n[serve]\nstore = "store"\nlisten = "127.0.0.1:7008"\nstatus = "127.0.0.1:7009"\n'
                '[pull]\naddress = "127.0.0.1:7008"\nforce = true\n[watch]\naddress = "127.0.0.1:7008"\ninterval = 1\nquiet = true\n')
    calls += ["dxup publish configured ../README.md --config FILE", "dxup serve --config FILE", "dxup pull configured got-configured --config FILE",
              "dxup watch configured watched-configured --config FILE --exec 'echo ready' --quiet"]
    calls_of("dxup", folder, calls)
    for call in calls:
        if " serve " in call:
            start(inside, call, '"listening"' if "--json" in call else "for status")
        elif " watch " in call:
            start(inside, call, '"name"' if "--json" in call else "ready" if "--quiet" in call else "outcome=" if "--report" in call else "on the wire")
        else:
            run(inside, call)
    run(inside, "diff -r out got && cmp got-file ../README.md")
    stop()


def dxpatch(folder):
    inside = os.path.join(folder, "patches")
    os.mkdir(inside)
    os.symlink(os.path.join(folder, "build"), os.path.join(inside, "build"))
    run(inside, "cat ../dx_patch.h ../dx_teleport.h >old; sed 's/cas/CAS/' old >new; sed 's/patch/PATCH/' new >third; cp old file")
    calls = ["dxpatch diff old new patch", "dxpatch diff old new patch --kind delta -1 --memory 100 --quiet", "dxpatch diff new third patch2 -9",
             "dxpatch diff old new blocks --kind blocks --block-size 4096", "dxpatch diff old new one --kind blocks --one-way", "dxpatch diff old new three --format 3",
             "dxpatch diff old new flash --kind flash --block-size 4096 --slot-size 1048576", "dxpatch diff old new small --kind flash --slot-size 1048576 --small", "dxpatch diff old new hde --kind hde --no-zstd",
             "dxpatch diff old new vcdiff --kind vcdiff", "dxpatch apply old patch out --target-max 256 --memory-max 256 --quiet",
             "dxpatch apply-in-place file blocks --target-max 256 --memory-max 256 --quiet",
             "dxpatch undo file blocks --target-max 256 --memory-max 256 --quiet", "dxpatch info patch --quiet",
             "dxpatch compose old patch patch2 both --kind delta --format 4 --memory 100 --no-zstd --target-max 256 --memory-max 256 --quiet",
             "dxpatch diff new third blocks2 --kind blocks", "dxpatch compose old blocks blocks2 both-blocks --kind blocks --block-size 4096 --one-way",
             "dxpatch diff old new flash1 --kind flash --slot-size 1048576", "dxpatch diff new third flash2 --kind flash --slot-size 1048576",
             "dxpatch compose old flash1 flash2 both-flash --kind flash --slot-size 1048576",
             "dxpatch compose old flash1 flash2 both-small --kind flash --slot-size 1048576 --small"]
    calls_of("dxpatch", folder, calls)
    for call in calls:
        run(inside, call)
    run(inside, "cmp out new && cmp file old && dxpatch apply old both out && cmp out third")


def dxecho(folder):
    calls = ["dxecho 7003 --backend epoll --workers 2 --http --bind 127.0.0.1 --connections 100", "dxecho 7004 --plain --spin 10 --idle 5"]
    calls_of("dxecho", folder, calls)
    for call in calls:
        start(folder, call)
    if urllib.request.urlopen("http://127.0.0.1:7003/", timeout=60).status != 200:
        raise Wrong("no answer")
    stop()


def dxkeep(folder):
    inside = os.path.join(folder, "kept")
    os.makedirs(os.path.join(inside, "data"))
    os.symlink(os.path.join(folder, "build"), os.path.join(inside, "build"))
    watched = "--name app --quiet-ms 10 --hold-ms 100 --scan-s 5 --exclude '*.o' --include '*.c' --no-owner --no-xattrs --no-restore --workers 2 --entries-max 1000 --size-max 1000000000 --grace 5 --pause-max-ms 100 --paranoid"
    hooks = "--before-capture 'test -d data' --after-capture true --hook-max-s 5"
    calls = [f"dxkeep run store data {watched} {hooks} --supervise --verbose --quiet -- sh -c 'echo 1 >data/a'",
             "dxkeep run store data --name app --no-freeze --stop-signal INT --keep last=9 --no-owner --no-xattrs --metrics-addr 127.0.0.1:7011 -- true",
             f"dxkeep capture store data --name app --exclude '*.o' --include '*.c' --no-owner --no-xattrs --paranoid --workers 2 {hooks} --json --quiet",
             "dxkeep capture store data --name app --app sqlite --app-max-s 5 --quiet",
             "dxkeep capture store data --name app --app redis --app-max-s 1 --quiet",
             "dxkeep log store --name app --limit 1 --json",
             "dxkeep restore store latest copy --name app --no-owner --no-xattrs --entries-max 1000 --size-max 1000000000 --workers 2 --force --json --quiet",
             "dxkeep --state-dir=data --store=store -- true",
             "dxkeep ls store latest --name app --recursive --json", "dxkeep cat store latest a --name app",
             "dxkeep diff store 1 latest --name app --json",
             "dxkeep export store data.tar --name app --time latest --torn --entries-max 1000 --size-max 1000000000 --force --json --quiet",
             "dxkeep restore store latest part --path a --name app --no-owner --quiet",
             "dxkeep status store --name app --json --max-lag 9 || test $? = 6", "dxkeep timeline store --name app --limit 9 --by hour --json",
             "dxkeep pin store latest --name app --json --quiet", "dxkeep pin store latest --name app --remove",
             "dxkeep gc store --name app --keep last=9 --dry-run --json --quiet",
             "dxkeep record store --name app --dir data --exclude '*.o' --include '*.c' --no-owner --no-xattrs --paranoid --workers 2 --json --quiet -- true",
             "dxkeep restore store 1 again --name app --quiet", "dxkeep replay store 2 again --from 1 --name app --no-owner --no-xattrs --json --quiet",
             "dxkeep verify store --json --quiet"]
    # recovered in tests/programs/test_dxkeep_postgres.py
    backup = "dxkeep capture store data --app postgres --app-connect user=test --app-max-s 5"
    # fetched in tests/programs/test_dxkeep_remote.py
    remote = "dxkeep restore --remote 127.0.0.1:7012 copy --time latest"
    away = "--remote 127.0.0.1:7012/app --remote-behind 9 --remote-lease 5"
    endless = f"dxkeep daemon store data {watched} {hooks} {away} --keep last=9 --verbose --quiet"
    # tested in tests/programs/test_dxkeep_app.py and test_dxkeep_postgres.py
    apps = "dxkeep daemon store data --app postgres --app-connect user=test --app-max-s 5"
    # tested in tests/programs/test_dxkeep.py, with a process tree, a process group and a mount
    frozen = "dxkeep daemon store data --standby --freeze-pid 2 --freeze-pidfile FILE --freeze-cgroup DIR --metrics-addr 127.0.0.1:7011"
    mounted = "dxkeep mount store history --name app --quiet"
    far = f"dxkeep run store data {away} --standby --fence -- true"
    calls_of("dxkeep", folder, calls + [endless, apps, frozen, far, mounted, remote, backup])
    for call in calls:
        run(inside, call)
    run(inside, "cmp data/a copy/a")
    start(inside, endless, "watching")
    stop()


def dxwan(folder):
    inside = os.path.join(folder, "wan")
    os.makedirs(os.path.join(inside, "in"))
    os.symlink(os.path.join(folder, "build"), os.path.join(inside, "build"))
    with open(os.path.join(inside, "FILE"), "wb") as f:
        f.write(os.urandom(300000))
    receive = "dxwan recv 127.0.0.1:7100 --out in --force --size-max 1M --wait 60 --timeout 30 --congestion cubic --json --quiet"
    call = "dxwan send FILE 127.0.0.1:7100 --streams 4 --rate 100M --congestion cubic --name name --timeout 30 --json --quiet"
    probe = "dxwan probe 127.0.0.1:7100 --streams 4 --seconds 1 --congestion cubic --timeout 30 --json --quiet"
    mirror = ("dxwan mirror FILE 127.0.0.1:7100 --streams 4 --rate 100M --congestion cubic --name other --every 1 --once --timeout 30"
              " --like FILE --json --quiet")
    memory = "dxwan mirror /proc/$!/mem 127.0.0.1:7100 --name memory --pause 5 --once"
    check = "dxwan daemon --config FILE.toml --check-config"
    with open(os.path.join(inside, "FILE.toml"), "w") as f:
        f.write('[[receiver]]\nname = "r"\naddress = "127.0.0.1:7100"\nout = "in"\n')
    daemon = "dxwan daemon --config FILE.toml --metrics-addr 127.0.0.1:7101"
    tls = " --tls-cert FILE.crt --tls-key FILE.key --tls-ca FILE.crt --tls-name localhost"
    calls_of("dxwan", folder, [receive + tls, call + tls, probe + tls, mirror + tls, memory, check, daemon])
    run(inside, check)
    start(inside, daemon, "started")
    stop()
    start(inside, receive, "listening")
    run(inside, probe)
    run(inside, call)
    run(inside, "cmp FILE in/name")
    stop()
    start(inside, receive, "listening")
    run(inside, mirror)
    run(inside, "cmp FILE in/other")
    stop()
    if "no TLS" not in run(inside, "dxwan --version"):
        run(inside, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout FILE.key -out FILE.crt -days 2 -subj /CN=localhost"
                    " -addext subjectAltName=DNS:localhost 2>openssl.txt || { cat openssl.txt; false; }")
        for each, name in ((probe, ""), (call, "name"), (mirror, "other")):
            start(inside, receive + tls, "listening")
            run(inside, each + tls + (f" && cmp FILE in/{name}" if name else ""))
            stop()
    start(inside, receive.replace("1M", "100M"), "listening")
    run(inside, "sleep 60 & sleep 1; " + memory + "; status=$?; kill $!; test $status = 0")
    run(inside, "readelf -l in/memory | grep -q LOAD")
    stop()


def run_dxwan(folder):
    run(folder, "make build/dxwan && make left-out-of-dxwan && make run-dxwan")


def called(text):
    """The program and its command."""
    words = text.split()
    return words[0] if words[0] == "dxecho" else " ".join(words[:2]).split("=")[0]


def help_of(program, folder, *words):
    return subprocess.run([os.path.join(folder, "build", program), "help", *words], capture_output=True, check=True).stdout.decode()


def calls_of(program, folder, calls):
    """Compare the calls with what the help and the documents show."""
    named = help_of(program, folder).splitlines() if program != "dxecho" else []
    commands = [line.split()[1:2] for line in named if line.startswith(f"  {program} ")] or [[]]
    if program != "dxecho" and len(commands) < 2:
        raise Wrong(f"{program} help shows no commands")
    texts = []
    for command in commands:
        text = help_of(program, folder, *command)
        options = re.findall(r"^  (--[a-z][-a-z]*)", text, re.M)
        texts.append((f"{program} help", " ".join([program, *command, *options])))
        if not text.startswith(" ".join(["usage:", program, *command])) or "Exit status:" not in text:
            raise Wrong(f"{program} help {command} is not whole: {text}")
    texts += [(d, t) for d in DOCUMENTS for _, kind, t in shown_in(d) if kind == "block" and t.split()[0] == program
              and re.search(r"[A-Z]{3}", t)]
    check_usage(calls, texts)


# Command as shown: the case that runs it. A case runs once, in the order of this list; SHARED ones in the folder of `make demo`.
RUN = {
    "make demo": demo, "make demo OLD=app-1.0 NEW=app-1.1": own_files, "cc -o example example.c": example,
    "make help": help_and_suites, "make suites": help_and_suites, "make messages": help_and_suites, "make all": everything, "make build/dxkeep": everything, "make hello": everything,
    "dxup publish store app ./build/app": readme_dxup, "dxup serve store --listen 127.0.0.1:7000": readme_dxup,
    "dxup pull 127.0.0.1:7000 app ./app": readme_dxup, "dxup pull 127.0.0.1:7000 app@1 ./app": readme_dxup, "dxup pull app ./app --config dxup.toml": readme_dxup, "dxup watch 127.0.0.1:7000 app ./app": readme_dxup, "dxup --version": dxup, "--help of dxup": dxup, "--help of dxpatch": dxpatch, "usage of dxecho": dxecho, "--help of dxkeep": dxkeep, "--help of dxwan": dxwan, "make run-dxwan": run_dxwan, "make build/dxwan": run_dxwan, "make left-out-of-dxwan": run_dxwan,
    "make install PREFIX=/usr/local": install, "make install": install, "make uninstall": install, "make texts": install, "make clean": clean,
    "examples/feed/build.sh build/feed": feed, "build/feed/consumer build/feed/ticks create": feed,
    "build/feed/producer build/feed/ticks 1000000 & build/feed/consumer build/feed/ticks 1000000": feed,
    "make build/asan/hbtp_peer": clients, "tests/readers/hbtp_clients.py calls": clients,
    "make run-firmware": firmware, "make run-www": www, "make run-www PORT=8001 ADDR=127.0.0.2": www, "make run-feed": feed_page, "make run-todo": todo, "make windows": windows,
    "make windows WINDOWS_CC=i686-w64-mingw32-gcc": windows_32, "make size": size, "make bench": pictures, "make demo-picture": pictures,
}
SHARED = [demo, own_files, example, help_and_suites, everything, readme_dxup, dxup, dxpatch, dxecho, dxkeep, dxwan, run_dxwan, install, clean]
NEEDS = {feed: ["g++"], firmware: ["arm-none-eabi-gcc", "qemu-system-arm", "riscv64-unknown-elf-gcc", "qemu-system-riscv32"],
         www: ["clang", "wasm-ld", "node"], feed_page: ["clang", "wasm-ld", "node"], todo: ["clang", "wasm-ld", "node"], windows: ["x86_64-w64-mingw32-gcc"], windows_32: ["i686-w64-mingw32-gcc"],
         size: ["arm-none-eabi-gcc"]}
measures = "measures, for minutes to hours, on a machine that has nothing else to do"
NOT_RUN = {
    "make test": "this gate is a part of it", "make test-all": "this gate is a part of it", "make check": "this gate is a part of it",
    "make deps": "installs packages; `make test` does the same", "make deps-all": "installs packages; `make test-all` does the same",
    **{f"make bench-{b}": measures for b in ("blocks", "inputs", "patch", "hde", "hbtp", "reactor", "teleport", "bulk", "wan", "memory", "cas", "trees", "cache", "link", "dxdb", "keep", "levels", "many", "net", "sizes", "update", "www")},
    **{f"dxkeep {rest}": "stands with a database: tests/programs/test_dxkeep_recipes.py runs the block"
       for rest in ("capture store data --app sqlite", "log store", "capture store data --app postgres", "restore store consistent copy",
                    "capture store data --app redis", "restore store latest ./copy")},
    "make dxkeep-picture": "lets dxkeep run for two and a half minutes",
    "dxup serve backup --listen 127.0.0.1:7000 --push 10.0.0.2:7001": "is for another machine: tests/programs/test_dxkeep_remote.py runs it",
    **{command: "needs libpq and a PostgreSQL: tests/programs/test_dxdb.py runs it" for command in ("make build/dxdb", "make run-dxdb")},
    "make mutants": "changes the headers one place at a time and runs their suites, for hours",
    "make bench-levels PAIRS=folder": measures, "make bench-update PAIRS='OLD NEW ...'": measures,
    "make bench-patch PAIRS=folder": measures, "make bench-blocks PAIRS='OLD NEW ...'": measures,
    "make bench-hde PAIRS='ID OLD NEW ...'": measures, "bench/bench_bulk.sh uml": measures,
}
SYNOPSIS = re.compile(r"^(dxup|dxpatch|dxecho|dxkeep|dxwan|dxdb) .*[A-Z]{3}") # checked with the help texts


def check_documents():
    shown = {}
    for document in DOCUMENTS:
        for number, kind, text in shown_in(document):
            where = f"{document}:{number}"
            if kind == "path":
                if not os.path.exists(os.path.join(TOP, text)):
                    say("FAIL", f"{where}: there is no {text}")
            elif kind == "inline" and text.split()[0] in ("dxup", "dxpatch", "dxecho", "dxkeep", "dxwan", "dxdb"):
                pass # prose about a command: its name and options are in the synopsis
            elif kind == "inline" and text.split()[0].startswith(("build/", "examples/", "programs/", "layers/", "tests/")):
                pass
            elif not SYNOPSIS.match(text):
                shown[text] = where
    listed = subprocess.run(["make", "-s", "help"], cwd=TOP, capture_output=True, env=environment(TOP)).stdout.decode()
    for target in re.findall(r"^  (make [\w-]+)", listed, re.M):
        shown.setdefault(target, "make help")
    for text, where in shown.items():
        if text not in RUN and text not in NOT_RUN:
            say("FAIL", f"{where} shows '{text}', which is neither run here nor listed with a reason")
    for text in [*RUN, *NOT_RUN]:
        if text not in shown and not re.match(r"^(--help|usage) of|^bench/", text):
            say("FAIL", f"'{text}' is listed here and shown nowhere")
    say("ok", f"{len(shown)} commands in {len(DOCUMENTS)} documents and in the help")
    for reason in sorted(set(NOT_RUN.values())):
        print(f"     not run: {', '.join(sorted(c for c in NOT_RUN if NOT_RUN[c] == reason))}: {reason}")


def passed_before(name):
    try:
        return TIER == "others" and f"ok   {name}\n" in open(os.path.join(TOP, "build/log/commands.log"))
    except OSError:
        return False


def main():
    check_documents()
    loopback_of_its_own()
    shared = fresh()
    for case in dict.fromkeys(RUN.values()):
        name = "; ".join(c for c in RUN if RUN[c] == case)
        foreign = [t for t in NEEDS.get(case, []) if t not in NATIVE]
        missing = [t for t in NEEDS.get(case, []) if not shutil.which(t)]
        if TIER == "native" and foreign or passed_before(name):
            continue
        if TIER == "others" and case in SHARED:
            continue
        if missing:
            say("skip", f"{name}: no {', '.join(missing)}")
            continue
        began = time.monotonic()
        try:
            case(shared if case in SHARED else fresh())
            say("ok", name)
            print(f"     {time.monotonic() - began:.1f} s", flush=True)
        except (Wrong, OSError, subprocess.SubprocessError) as problem:
            say("FAIL", f"{name}: {problem}")
        finally:
            stop()
    print(f"commands: {counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return counts["FAIL"] != 0


try:
    sys.exit(main())
finally:
    stop()
    shutil.rmtree(work, ignore_errors=True)
