#!/usr/bin/env python3
"""docs/dxkeep-recipes.md: the blocks of each section are run as they are, in order, in one shell and in a directory of their own with
a store, a directory and a program; then what they promise is checked. A section with blocks and without a check here fails, and so
does a check without its section. docs/dxkeep-monitoring.md: its table has the metrics that are served, its alerts use them.
A block's first line: "```sh WHAT it needs", programs or devices.
usage: test_dxkeep_recipes.py [FILTER...]"""
import json, os, pwd, re, shutil, signal, socket, sqlite3, subprocess, sys, time

import test_dxkeep as kit
from test_dxkeep import DXKEEP, PATIENCE, Skip, keep, may_mount, wait_for

TOP = kit.top
DXUP = os.path.abspath(os.environ.get("DXUP", os.path.join(os.path.dirname(DXKEEP), "dxup")))
DOCUMENT = os.path.join(TOP, "docs/dxkeep-recipes.md")
MONITORING = os.path.join(TOP, "docs/dxkeep-monitoring.md")
APP = """#!/bin/sh
echo run >>data/runs
"""


def sections(document):
    """Title: (needs, commands, yaml)."""
    found, title, fence = {}, "", None
    for line in open(document):
        opening = re.match(r"^```(\w*) ?(.*)$", line)
        if opening and fence is None:
            fence = opening[1]
            needs, commands, yaml = found.setdefault(title, (set(), [], []))
            needs.update(opening[2].split() if fence == "sh" else [])
        elif opening:
            fence = None
        elif fence is None and line.startswith("## "):
            title = line[3:].strip()
        elif fence:
            (commands if fence == "sh" else yaml).append(line)
    return {title: (needs, "".join(commands), "".join(yaml)) for title, (needs, commands, yaml) in found.items()}


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Place:
    """A directory with a database and a configuration, and a store with three versions of it; `then` is a time when the first was
    the latest. The database is open while it is captured, so that its rows are in the WAL."""

    def __init__(self):
        os.mkdir("data")
        self.write("data/app.conf", "first\n")
        db = sqlite3.connect("data/shop.db")
        db.execute("pragma journal_mode=wal")
        db.execute("create table sale(n)")
        db.executemany("insert into sale values(?)", [(n,) for n in range(14)])
        db.commit()
        self.write("app", APP)
        os.chmod("app", 0o755)
        self.run_to(lambda: None)
        self.then = keep("log", "store", "--json").splitlines()[0]
        self.then = json.loads(self.then)["time_ns"]
        time.sleep(1.1)
        self.run_to(lambda: self.write("data/app.conf", "second\n"))
        self.run_to(lambda: self.write("data/app.conf", "third\n"))
        db.close()

    @staticmethod
    def write(path, text):
        with open(path, "w") as f:
            f.write(text)

    @staticmethod
    def run_to(change):
        change()
        keep("run", "store", "data", "--quiet", "--", "true")

    def replaced(self, text):
        """What the document names, as it is here. Its time is that of the first version."""
        then = time.strftime("'%Y-%m-%d %H:%M:%S'", time.gmtime(self.then // 10**9))
        return text.replace("'2026-11-26 14:02'", then).replace('"2026-11-26 14:02"', then.replace("'", '"')) \
            .replace(" 1d ", " %s " % then).replace("/mnt/large", os.path.abspath("large"))


def shell(text, before=(), env=None):
    """All blocks of a section, in one shell. Whatever it started is ended with it."""
    path = os.path.dirname(DXKEEP) + ":" + os.path.dirname(DXUP) + ":" + os.environ["PATH"]
    process = subprocess.Popen([*before, "bash", "-eux", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=open("shell.log", "wb"), start_new_session=True, env={**os.environ, "PATH": path, **(env or {})})
    try:
        out = process.communicate(timeout=2 * PATIENCE)[0].decode()
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    assert process.returncode == 0, "status %d: %s" % (process.returncode, open("shell.log").read()[-1500:])
    return out


def content(path):
    with open(path) as f:
        return f.read()


def numbers(store, *more):
    return [json.loads(line)["version"] for line in keep("log", store, "--json", *more).splitlines()]


# ---- the sections: each gets the place, and returns after its checks
def one_file(place, text, yaml):
    shell(place.replaced(text))
    assert content("app.conf.old") == content("app.conf") == "first\n"
    assert "14" in subprocess.run(["sqlite3", "back/shop.db", "select count(*) from sale"], capture_output=True, text=True).stdout


class Remote:
    def __init__(self, place):
        self.push = port()
        place.text = lambda t: place.replaced(t).replace("10.0.0.2:7001", "127.0.0.1:%d" % self.push).replace("keep:7001", "127.0.0.1:%d" % self.push)

    def __enter__(self):
        self.process = subprocess.Popen([DXUP, "serve", "backup", "--listen", "127.0.0.1:%d" % port(), "--push", "127.0.0.1:%d" % self.push],
                                        stdin=subprocess.DEVNULL, stdout=open("served", "wb"), stderr=subprocess.STDOUT)
        wait_for("the server", lambda: "listening" in content("served"), self.process)
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(PATIENCE)

    @staticmethod
    def versions(name):
        """The latest that the server has, as its own store lists it."""
        done = subprocess.run([DXUP, "log", "backup", name, "--json"], capture_output=True, text=True)
        return max([json.loads(line)["version"] for line in done.stdout.splitlines()], default=0)


def older_version(place, text, yaml):
    """Locally, from the remote, and as containers of a pod that begin in the order of the manifest."""
    remote = Remote(place)
    with remote:
        for name in "box", "counter-0":
            keep("run", "store", "data", "--remote", "127.0.0.1:%d/%s" % (remote.push, name), "--remote-lease", "1", "--quiet", "--", "true")
        before = Remote.versions("box")
        assert before == max(numbers("store")), before
        local, far = re.split(r"(?m)^rm -rf store data\n", place.text(text))
        shell(local)
        assert content("data/app.conf") == "first\n" and content("data/runs") == "run\n" and max(numbers("store")) > 3
        time.sleep(1.5)  # the lease
        shutil.rmtree("data"), shutil.rmtree("store")
        shell(far)
        assert content("data/app.conf") == "first\n" and content("data/runs") == "run\n", content("data/runs")
        assert Remote.versions("box") > before, "the remote takes no version after the old one"
        shutil.rmtree("data"), shutil.rmtree("store")
        containers = re.findall(r"(?m)^ *args: \[(.*)\]$", place.text(yaml))
        assert len(containers) == 2, containers
        os.mkdir("data")
        for line in containers:
            args = [a.strip().strip('"') for a in line.split(",")]
            keep(*[{"/keep/store": "store", "/data": "data"}.get(a, a) for a in args])
        assert content("data/app.conf") == "first\n" and max(numbers("store")) == before
        keep("run", "store", "data", "--remote", "127.0.0.1:%d/counter-0" % remote.push, "--", "./app")
        assert Remote.versions("counter-0") > before, "the remote takes no version after the old one"


def what_changed(place, text, yaml):
    out = shell(place.replaced(text))
    assert "app.conf" in out and "shop.db" not in out, out


def which_to_keep(place, text, yaml):
    rules = re.findall(r"(?m)^\| [^|]* \| `([a-z]+=[^`]*)` \|$", content(DOCUMENT))
    assert len(rules) >= 4, rules
    for rule in rules:
        keep("gc", "store", "--keep", rule, "--dry-run")
    shell(place.replaced(text))
    assert content("data/runs") == "run\n"


def disk_full(place, text, yaml):
    os.mkdir("large")
    before = keep("cat", "store", "latest", "app.conf")
    shell(place.replaced(text))
    assert len(numbers("store")) == 1 and keep("cat", "store", "latest", "app.conf") == before


def of_postgres():
    """What a command of PostgreSQL begins with, which refuses to run as root. The working directory becomes that user's."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise Skip("PostgreSQL does not run as root, and there is no user postgres") from None
    os.chown(".", user.pw_uid, user.pw_gid)
    return ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]


def postgres(place, text, yaml):
    """With a server of its own, as the user postgres if this is root."""
    shutil.rmtree("store"), shutil.rmtree("data")
    as_user = of_postgres()
    env = {"PGHOST": os.path.abspath("."), "PGPORT": str(port()), "PGDATABASE": "postgres", "PGUSER": "test"}
    os.chmod(".", 0o700)
    begin = """initdb -D data -U test -A trust --no-sync >/dev/null
        echo "unix_socket_directories = '$PWD'" >>data/postgresql.conf
        echo "listen_addresses = ''" >>data/postgresql.conf
        echo "port = $PGPORT" >>data/postgresql.conf
        pg_ctl -D data -l log -w start
        """
    try:
        out = shell(begin + text.replace("5433", str(port())), as_user, env)
    finally:
        for folder in "data", "copy": # a server has a session of its own
            subprocess.run([*as_user, "pg_ctl", "-D", folder, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert out.count(" 14\n") >= 2, out
    log = [json.loads(line) for line in keep("log", "store", "--json").splitlines()]
    assert sum(v["consistent"] for v in log) >= 2, log


def mounted(place, text, yaml):
    if not may_mount():
        raise Skip("no mount")
    out = shell(place.replaced(text))
    assert "14" in out, out


def move(place, text, yaml):
    os.mkdir("large")
    shell(place.replaced(text))
    assert content("newdata/app.conf") == "third\n" and numbers("large/store") == [3, 2, 1]


def imported(place, text, yaml):
    os.makedirs("copies")
    env = {"RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": os.path.abspath("cache")}
    shell("restic init -r repo >/dev/null", env=env)
    for n in range(3):
        place.write("data/app.conf", "copy %d\n" % n)
        shutil.copytree("data", "copies/%d" % n)
        shell("restic -r repo backup data >/dev/null", env=env)
    shell(text, env=env)
    for store in "restored", "imported":
        assert numbers(store) == [3, 2, 1]
        assert [keep("cat", store, str(n + 1), "app.conf") for n in range(3)] == ["copy %d\n" % n for n in range(3)]


def upgrade(place, text, yaml):
    assert shell(text).endswith("changed again\n")


CHECKS = {"One file of 14:02": one_file, "Begin again with an older version": older_version,
          "What changed since yesterday": what_changed, "Which versions to keep": which_to_keep, "The disk is full": disk_full,
          "PostgreSQL": postgres, "SQLite in a mounted version": mounted, "Move to a new machine": move,
          "Import from restic, or from a folder of copies": imported, "Upgrade dxkeep": upgrade}


def case_of(title, check):
    def case(dice):
        needs, text, yaml = sections(DOCUMENT)[title]
        missing = [n for n in needs if not (os.path.exists(n) if n[0] == "/" else shutil.which(n))]
        if missing:
            raise Skip("no " + ", ".join(missing))
        check(Place(), text, yaml)
    case.__name__ = check.__name__
    return case


def every_section_is_run(dice):
    shown = set(sections(DOCUMENT))
    assert shown == set(CHECKS), shown ^ set(CHECKS)


def databases_of_the_readme(dice):
    """The blocks of programs/dxkeep/README.md below "Databases of programs", each in a directory of its own."""
    text = content(os.path.join(TOP, "programs/dxkeep/README.md"))
    blocks = re.findall(r"(?s)\n```\n(.*?)```", text[text.index("\n## Databases of programs"):].split("\n## ")[1])
    assert [re.search(r"--app (\w+)", b)[1] for b in blocks] == ["sqlite", "postgres", "redis"], blocks
    for block, need in zip(blocks, ("sqlite3", "initdb", "redis-server")):
        if not shutil.which(need):
            continue
        os.mkdir(need)
        os.chdir(need)
        before = of_postgres() if need == "initdb" else []
        if need != "initdb":
            os.mkdir("data")
        number = str(port())
        try:
            shell(block.replace("redis-server ", "redis-server --port %s " % number), before, {"PGPORT": number})
        finally:
            for folder in ("data", "copy") if need == "initdb" else ():
                subprocess.run([*before, "pg_ctl", "-D", folder, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if need == "redis-server":
                subprocess.run(["redis-cli", "-p", number, "shutdown", "nosave"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert json.loads(keep("log", "store", "--json").splitlines()[0])["consistent"], keep("log", "store")
        os.chdir("..")


def a_directory_that_is_written_to(dice):
    """What the last section says: it is left as it is, or kept as data.dxup-kept, with a message and status 6."""
    Place()
    writer = subprocess.Popen(["sh", "-c", "while :; do echo more >>data/busy; done"], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for("the writer", lambda: os.path.exists("data/busy"), writer)
        for _ in range(20):
            done = subprocess.run([DXKEEP, "restore", "store", "1", "data", "--force"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode == 6:
                break
    finally:
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
    assert done.returncode == 6, done.stdout
    if os.path.exists("data.dxup-kept"):
        assert "data.dxup-kept" in done.stdout and content("data/app.conf") == "first\n", done.stdout
    else:
        assert "left as it is" in done.stdout and content("data/app.conf") == "third\n", done.stdout


def metrics_of_the_document(dice):
    """The table has the names that are served with a remote, no others, and the alerts use names of the table."""
    os.mkdir("data")
    address = "127.0.0.1:%d" % port()
    process = subprocess.Popen([DXKEEP, "daemon", "store", "data", "--metrics-addr", address, "--remote", "127.0.0.1:9/x", "--no-restore", "--verbose"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=open("log", "wb"))
    try:
        wait_for("the start", lambda: "watching" in content("log"), process)
        import urllib.request
        served = set(re.findall(r"(?m)^# TYPE (\S+) ", urllib.request.urlopen("http://%s/metrics" % address, timeout=PATIENCE).read().decode()))
    finally:
        process.terminate()
        process.wait(PATIENCE)
    text = content(MONITORING)
    table = set(re.findall(r"(?m)^\| `((?:diffkeeper|dxkeep)_\w+)` \|", text))
    assert table == served, "not in both: %s" % (table ^ served)
    used = re.findall(r"\b(?:diffkeeper|dxkeep)_\w+", re.search(r"(?s)```yaml\n(.*?)```", text)[1])
    assert len(used) >= 5
    for name in used:
        assert re.sub("_(count|sum|bucket)$", "", name) in served, name


if __name__ == "__main__":
    sys.exit(kit.main([every_section_is_run, *(case_of(title, check) for title, check in CHECKS.items()), databases_of_the_readme, a_directory_that_is_written_to,
                       metrics_of_the_document], "test_dxkeep_recipes"))
