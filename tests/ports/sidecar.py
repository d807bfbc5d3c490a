#!/usr/bin/env python3
"""examples/sidecar: the steps of the Dockerfile run in a bare Debian (debootstrap), and its program there; the commands of counter.yaml
run here, while a container crashes, a pod is deleted, a node is lost; the manifests agree with each other; systemd takes the units.
usage: sidecar.py [FILTER...]     runs the cases whose name contains one of the filters
       DXKEEP=path DXUP=path; DX_CHROOTS=folder with a base "bookworm" that debootstrap has made, or where it is made and kept"""
import json, os, re, select, shlex, shutil, signal, socket, subprocess, sys, tempfile, time

top = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
EXAMPLE = os.path.join(top, "examples/sidecar")
PROGRAMS = {"dxkeep": os.path.abspath(os.environ.get("DXKEEP", "build/dxkeep")), "dxup": os.path.abspath(os.environ.get("DXUP", "build/dxup")),
            "counter": os.path.join(EXAMPLE, "counter.sh")}
PATIENCE = int(os.environ.get("DX_PATIENCE", "60"))
counts = {"passed": 0, "failed": 0, "skipped": 0}
begun = []


class Skip(Exception):
    pass


def begin(args, **more):
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **more)
    begun.append(process)
    return process


def kill_all():
    while begun:
        process = begun.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def numbers(process, count):
    """The next numbers that the program prints."""
    found, end = [], time.monotonic() + PATIENCE
    while len(found) < count:
        assert select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0], "the program prints nothing"
        line = process.stdout.readline()
        said = open("said").read() if os.path.exists("said") else ""
        assert line, "it ended with status %s: %s" % (process.wait(PATIENCE), said)
        if line.strip().isdigit():  # not dxkeep's own
            found.append(int(line))
    return found


def end(process):
    """SIGTERM; returns the last number."""
    process.terminate()
    rest = process.stdout.read().split()
    assert process.wait(PATIENCE) == 0, "status %d" % process.returncode
    return [int(word) for word in rest if word.isdigit()]


# ---- systemd
def units():
    """Without /usr/local/bin/dxkeep here, which the verification wants: the programs are those that were built."""
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    for name in ("counter.service", "dxkeep-app.service"):
        with open(os.path.join(EXAMPLE, name)) as f:
            text = f.read()
        for program, path in PROGRAMS.items():
            text = text.replace("/usr/local/bin/" + program, path)
        assert "/usr/local" not in text, "another program"
        with open(name, "w") as f:
            f.write(text)
        done = subprocess.run(["systemd-analyze", "verify", os.path.abspath(name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = [line for line in done.stdout.splitlines() if name in line or not line.startswith("/")]  # not on units of this machine
        assert not said and not done.returncode, "%s: %s" % (name, done.stdout)
        command = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M)[1])
        offered = subprocess.run([command[0], "help", command[1]], stdout=subprocess.PIPE, text=True, check=True).stdout
        own = command[:command.index("--")] if "--" in command else command
        for option in (word for word in own if word.startswith("--")):
            assert option in offered, "%s: dxkeep %s has no %s" % (name, command[1], option)


# ---- Kubernetes
def manifests():
    try:
        import yaml
    except ImportError:
        raise Skip("no python3-yaml") from None
    with open(os.path.join(EXAMPLE, "counter.yaml")) as f:
        return [one for one in yaml.safe_load_all(f)]


def the_manifest(kind, name):
    return next(one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name))


def manifests_agree():
    """Selectors find pods, services find ports, mounts find volumes, and the grace of a pod is above that of dxkeep."""
    found = manifests()
    assert sorted(one["kind"] for one in found) == ["Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "Service", "StatefulSet"]
    pods = {}
    for one in found:
        assert one["apiVersion"] and one["metadata"]["name"]
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        template = one["spec"]["template"]
        assert one["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        pods[template["metadata"]["labels"]["app"]] = template["spec"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        container, = template["spec"]["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        for volume in template["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                the_manifest("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    for one in found:
        if one["kind"] == "Service":
            ports = {port["name"] for port in pods[one["spec"]["selector"]["app"]]["containers"][0]["ports"]}
            assert all(port["targetPort"] in ports for port in one["spec"]["ports"])
    policy = the_manifest("NetworkPolicy", "keep")["spec"]
    assert policy["podSelector"]["matchLabels"]["app"] == "keep" and policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app"] in pods
    stateful = the_manifest("StatefulSet", "counter")["spec"]
    the_manifest("Service", stateful["serviceName"])
    pod = pods["counter"]
    arguments = pod["containers"][0]["args"]
    assert int(arguments[arguments.index("--grace") + 1]) < pod["terminationGracePeriodSeconds"]
    host, port = re.match(r"(\w+):(\d+)/\$\(POD_NAME\)$", arguments[arguments.index("--remote") + 1]).groups()
    assert int(port) in [p["port"] for p in the_manifest("Service", host)["spec"]["ports"]]
    assert int(port) == next(p for p in pods["keep"]["containers"][0]["ports"] if p["name"] == "push")["containerPort"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """The commands of the manifests, with directories and ports of this machine for volumes and services."""

    def __init__(self):
        self.ports = {}
        self.server = self.start("Deployment", "keep", "pv")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.ports["7001"]), 1).close()
                return
            except OSError:
                assert time.monotonic() < end and self.server.poll() is None, "the server does not start"
                time.sleep(0.05)

    def port(self, number):
        return self.ports.setdefault(number, free_port())

    def start(self, kind, name, volumes):
        """volumes: the directory in which its /keep and /data are."""
        container, = the_manifest(kind, name)["spec"]["template"]["spec"]["containers"]
        command = [*container.get("command", ["dxkeep"]), *container["args"]]
        for i, word in enumerate(command):
            word = PROGRAMS.get(word, word).replace("$(POD_NAME)", "counter-0").replace("keep:7001", "127.0.0.1:7001")
            word = re.sub(r"^(/keep|/data)(?=/|$)", lambda m: os.path.abspath(volumes) + m[1], word)
            command[i] = re.sub(r"^((?:127\.0\.0\.1|0\.0\.0\.0)?):(7\d\d\d)", lambda m: "127.0.0.1:%d" % self.port(m[2]), word)
        for place in ("data", "keep"):
            os.makedirs(os.path.join(volumes, place), exist_ok=True)
        return begin(command, stderr=open(name + ".log", "ab"))

    def pod(self, volumes="pod"):
        return self.start("StatefulSet", "counter", volumes)

    def at_remote(self):
        """The number in the latest version of the remote."""
        shutil.rmtree("copy", ignore_errors=True)
        done = subprocess.run([PROGRAMS["dxkeep"], "restore", "--remote", "127.0.0.1:%d/counter-0" % self.ports["7001"], "copy", "--quiet"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode or not os.path.exists("copy/count"):
            return 0
        with open("copy/count") as f:
            return int(f.read() or 0)

    def until_at_remote(self, number):
        end = time.monotonic() + PATIENCE
        while self.at_remote() < number:
            assert time.monotonic() < end, "the remote has no version with %d: %s" % (number, open("counter.log").read()[-800:])
            time.sleep(0.2)


def a_container_crashes():
    """SIGKILL of all its processes; the emptyDirs stay: the program continues with what it had written."""
    cluster = Cluster()
    pod = cluster.pod()
    last = numbers(pod, 3)[-1]
    pod.kill()
    pod.wait(PATIENCE)
    last = max([last, *(int(word) for word in pod.stdout.read().split() if word.isdigit())])
    first = numbers(cluster.pod(), 1)[0]
    assert first in (last + 1, last + 2), "%d follows %d" % (first, last)  # the number is written before it is printed
    cluster.until_at_remote(first)


def a_pod_is_deleted():
    """SIGTERM, then its emptyDirs go: the next one continues with the next number."""
    cluster = Cluster()
    pod = cluster.pod()
    last = max(numbers(pod, 3) + end(pod))
    shutil.rmtree("pod")
    assert numbers(cluster.pod(), 1) == [last + 1]


def a_node_is_lost():
    """Its processes and emptyDirs go at once: the next one continues with what the remote has, and sends when the lease has expired."""
    cluster = Cluster()
    pod = cluster.pod()
    numbers(pod, 3)
    cluster.until_at_remote(3)
    kept = cluster.at_remote()
    pod.kill()
    pod.wait(PATIENCE)
    last = max([kept, *(int(word) for word in pod.stdout.read().split() if word.isdigit())])
    shutil.rmtree("pod")
    first = numbers(cluster.pod(), 1)[0]
    assert kept < first <= last + 2, "%d follows %d, of which the remote had %d" % (first, last, kept)
    cluster.until_at_remote(first)


def the_remote_is_away():
    """The program goes on meanwhile; what it wrote follows when the remote is there again."""
    cluster = Cluster()
    pod = cluster.pod()
    cluster.until_at_remote(1)
    end(cluster.server)
    last = numbers(pod, 4)[-1]
    cluster.server = cluster.start("Deployment", "keep", "pv")
    cluster.until_at_remote(last)


# ---- the Dockerfile
def instructions():
    with open(os.path.join(EXAMPLE, "Dockerfile")) as f:
        text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", f.read(), flags=re.M))
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def bare_debian(folder, suite):
    """A folder with debootstrap's minbase."""
    base = os.path.join(os.environ.get("DX_CHROOTS") or folder, suite)
    if os.path.exists(os.path.join(base, "usr/bin/apt-get")):
        return base
    mirrors = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], stdout=subprocess.PIPE, text=True).stdout.split()
    mirror = next((m for m in sorted(mirrors) if m.endswith("/debian/")), None)
    if not mirror:
        raise Skip("apt knows no mirror of Debian")
    done = subprocess.run(["debootstrap", "--variant=minbase", suite, base, mirror], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Skip("debootstrap: " + done.stdout.splitlines()[-1])
    return base


class Stage:
    """One stage of a Dockerfile: a copy of the bare system."""

    def __init__(self, root, base):
        self.root, self.directory, self.user, self.entry, self.command, self.volumes = root, "/", "0:0", [], [], []
        subprocess.run(["cp", "-a", base, root], check=True)
        for place in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", "/" + place, root + "/" + place], check=True)
        for path in ["/etc/resolv.conf", "/etc/hosts", *("/etc/apt/apt.conf.d/" + name for name in os.listdir("/etc/apt/apt.conf.d") if "proxy" in name)]:
            shutil.copy(path, root + path)

    def mount_volumes(self, places):
        """Each is a mount point, with the owner that the image gives it."""
        for place in places:
            subprocess.run(["mount", "--bind", self.root + place, self.root + place], check=True)
            self.volumes.append(place.lstrip("/"))

    def unmount(self):
        for place in ("proc", "dev", *self.volumes):
            subprocess.run(["umount", "-l", self.root + "/" + place], stderr=subprocess.DEVNULL)

    def inside(self, command):
        keep = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        keep |= {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "DEBIAN_FRONTEND": "noninteractive"}
        return {"args": ["chroot", "--userspec=" + self.user, self.root, "sh", "-c", 'cd "$0" && exec "$@"', self.directory, *command], "env": keep}

    def run(self, *command):
        done = subprocess.run(**self.inside(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, "%s: %s" % (" ".join(command), done.stdout[-1500:])
        return done.stdout

    def copy(self, sources, target, origin):
        """As COPY does: several sources, or the content of one directory, into a directory; or one file to a name."""
        target = os.path.normpath(os.path.join(self.root + self.directory, target) if not target.startswith("/") else self.root + target) + \
            ("/" if target.endswith("/") else "")
        for source in sources:
            if origin == top and source == ".":
                names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=top, stdout=subprocess.PIPE, text=True, check=True).stdout
                subprocess.run(["cp", "-a", "--parents", *(n for n in names.splitlines() if os.path.exists(os.path.join(top, n))), target], cwd=top, check=True)
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                subprocess.run(["cp", "-a", os.path.join(origin, source.lstrip("/")), target], check=True)


def build_image(folder, stages):
    """Runs all instructions. The last stage is the image."""
    named = {}
    for word, rest in instructions():
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            base = bare_debian(folder, re.fullmatch(r"debian:(\w+)-slim", image)[1])
            stages.append(Stage(os.path.join(folder, "stage%d" % len(stages)), base))
            named[name] = stages[-1]
            continue
        stage = stages[-1]
        if word == "RUN":
            stage.run("sh", "-c", rest)
        elif word == "WORKDIR":
            stage.directory = rest
            os.makedirs(stage.root + rest, exist_ok=True)
        elif word == "COPY":
            words = rest.split()
            origin = named[words.pop(0)[len("--from="):]].root if rest.startswith("--from=") else top
            stage.copy(words[:-1], words[-1], origin)
        elif word == "VOLUME":
            stage.mount_volumes(json.loads(rest))
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entry = json.loads(rest)
        elif word == "CMD":
            stage.command = json.loads(rest)
        else:
            raise AssertionError("the Dockerfile has %s, which this test does not know" % word)
    return stages[-1]


def the_image_in_a_bare_debian():
    """It is built, its program counts, and continues after its directory was lost."""
    if os.getuid():
        raise Skip("it needs root")
    for program in ("debootstrap", "chroot", "git", "apt-get"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            raise Skip("no " + program)
    folder, stages = tempfile.mkdtemp(), []
    try:
        image = build_image(folder, stages)
        program = begin(**image.inside(image.entry + image.command), stderr=open("said", "wb"))
        last = max(numbers(program, 3) + end(program))
        assert "consistent" in image.run("dxkeep", "log", "/keep/store"), "no version is consistent"
        os.remove(image.root + "/data/count")
        again = begin(**image.inside(image.entry + image.command), stderr=open("said", "wb"))
        assert numbers(again, 1) == [last + 1], "the directory was not restored"
        end(again)
        image.run("dxup", "verify", "/keep/store")
    finally:
        kill_all()
        for stage in stages:
            stage.unmount()
        mounted = open("/proc/mounts").read()
        if folder not in mounted:
            shutil.rmtree(folder)


# ---- the cases
CASES = [units, manifests_agree, a_container_crashes, a_pod_is_deleted, a_node_is_lost, the_remote_is_away, the_image_in_a_bare_debian]


def main():
    filters = sys.argv[1:]
    for case in CASES:
        if filters and not any(f in case.__name__ for f in filters):
            continue
        place = tempfile.mkdtemp()
        os.chdir(place)
        try:
            case()
            counts["passed"] += 1
            print("ok   " + case.__name__, flush=True)
        except Skip as reason:
            counts["skipped"] += 1
            print("skip %s: %s" % (case.__name__, reason), flush=True)
        except (AssertionError, OSError, KeyError, StopIteration, subprocess.SubprocessError) as problem:
            counts["failed"] += 1
            print("FAIL %s: %s: %s" % (case.__name__, type(problem).__name__, problem), flush=True)
        finally:
            kill_all()
            os.chdir(top)
            shutil.rmtree(place, ignore_errors=True)
    print("sidecar: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return counts["failed"] != 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
sys.exit(main())
