#!/usr/bin/env python3
"""dxwan mirror of the memory of running programs, beside zstd -3, zstd --patch-from, rsync --inplace, XOR + zstd and QEMU's own migration:
bench/results/memory.csv.

usage: bench_memory.py [PART...]     postgres node qemu migrate speed pause; default: all. Results of other parts stay in the file.

SNAPSHOTS=9 (one a second) GUEST_MB=256 WORK=where files are made (build/) KERNEL=a kernel for the guest (default: Debian's cloud kernel, by apt-get)

postgres, node, qemu: snapshots of PostgreSQL's shared memory under pgbench, of the writable memory of a Node process that builds and changes
objects, and of the RAM file of a guest that boots and works. For each pair of consecutive snapshots: the changed pages are written in place
into the mirrored file; `dxwan mirror` and `dxwan recv` run as two processes, and a relay between them counts all bytes in both directions until
the round is verified. Every other tool gets the same two files. migrate: a guest that dirties memory is migrated by QEMU (XBZRLE; multifd
with zstd), and its RAM file is mirrored, with the same limit of speed. speed: 64 MiB
of which 1 % of the pages changed, by build/bench_memory. pause: a 4 GiB guest at 1 Gbit/s."""
import csv, glob, json, os, pwd, random, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

TOP = os.getcwd()
DXWAN = os.path.abspath("build/dxwan")
RESULTS = "bench/results/memory.csv"
SNAPSHOTS = int(os.environ.get("SNAPSHOTS") or 9)
GUEST_MB = int(os.environ.get("GUEST_MB") or 256)
PAGE = 4096
QUIET_S = 0.6           # a round is over when nothing travelled for this time, and the copy is the file
ROUND_S = 3             # --every: snapshots are written in the rest between two rounds
LIMIT_S = 120           # for anything that must end
COLUMNS = ["part", "figure", "series", "tool", "value", "unit", "bar"]
rows = []
heads = {}              # a line for each part
part = ""               # the one that runs
folder = ""             # of this run
started = []            # processes of this part, which end with it


def note(figure, series, tool, value, unit, bar=""):
    value = ("%.4g" % value if value < 1000 else "%d" % round(value)) if isinstance(value, float) else str(value)
    rows.append(dict(zip(COLUMNS, (part, figure, series, tool, value, unit, str(bar)))))
    print(",".join(rows[-1].values()), flush=True)


def wait_for(what, condition, seconds=LIMIT_S):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench_memory: no end within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def stop(*processes):
    for p in processes:
        if p.poll() is None:
            p.kill()
        p.wait()


# >>relay: between two processes; counts, and limits the speed of one direction
class Relay:
    def __init__(self, port, bytes_s=0):
        self.counts, self.port, self.bytes_s, self.moved = [0, 0], port, bytes_s, time.monotonic()
        self.lock, self.due = threading.Lock(), 0.0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.at = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                near.close()
                continue
            for ends in ((near, far, 0), (far, near, 1)):
                threading.Thread(target=self.copy, args=ends, daemon=True).start()

    def wait(self, size):
        with self.lock:
            now = time.monotonic()
            self.due = max(self.due, now - 0.01) + size / self.bytes_s
            pause = self.due - now
        if pause > 0:
            time.sleep(pause)

    def copy(self, source, target, way):
        data = memoryview(bytearray(65536))
        try:
            while True:
                size = source.recv_into(data)
                if not size:
                    break
                if self.bytes_s and way == 0:
                    self.wait(size)
                target.sendall(data[:size])
                with self.lock:
                    self.counts[way] += size
                    self.moved = time.monotonic()
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def total(self):
        return sum(self.counts)

    def close(self):
        self.server.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Mirror:
    """dxwan recv and dxwan mirror of one file, with the relay between."""
    def __init__(self, file, every, bytes_s=0, *options, name="image"):
        port = free_port()
        self.out = tempfile.mkdtemp(dir=folder)
        self.recv = subprocess.Popen([DXWAN, "recv", "127.0.0.1:%d" % port, "--out", self.out, "--quiet"])
        started.append(self.recv)
        self.relay = Relay(port, bytes_s)
        time.sleep(0.3)
        self.mirror = subprocess.Popen([DXWAN, "mirror", file, "127.0.0.1:%d" % self.relay.at, "--name", name, "--every", str(every), "--json", *options],
                                       stdout=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=folder))
        started.append(self.mirror)
        self.part = os.path.join(self.out, "." + name + ".dxwan-part")
        self.name = os.path.join(self.out, name)

    def is_copied(self, file):
        if self.mirror.poll() is not None or self.recv.poll() is not None:
            raise SystemExit("bench_memory: dxwan has ended")
        quiet = time.monotonic() - self.relay.moved > QUIET_S
        return quiet and os.path.exists(self.part) and same_files(self.part, file)

    def end(self):
        """The end of the mirror: what it reports."""
        self.mirror.send_signal(signal.SIGTERM)
        text, _ = self.mirror.communicate(timeout=LIMIT_S)
        if self.mirror.returncode:
            raise SystemExit("bench_memory: dxwan mirror ended with %d" % self.mirror.returncode)
        self.recv.wait(LIMIT_S)
        self.relay.close()
        return json.loads(text)


def same_files(a, b):
    return subprocess.run(["cmp", "-s", a, b]).returncode == 0


def write_changes(path, old, new):
    """Write the pages of `new` that differ into a file that holds `old`. Returns how many."""
    changed = 0
    with open(path, "r+b") as f:
        for at in range(0, len(new), PAGE):
            page = new[at:at + PAGE]
            if old[at:at + PAGE] != page:
                f.seek(at)
                f.write(page)
                changed += 1
        f.truncate(len(new))
    return changed


# >>peers
def piped(*command):
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return len(out.stdout)


def of_rsync(old, new):
    copy = os.path.join(folder, "rsync.copy")
    shutil.copyfile(old, copy)
    out = subprocess.run(["rsync", "-I", "--inplace", "--no-whole-file", "-z", "--zc=zstd", "--stats", new, copy], check=True, stdout=subprocess.PIPE, text=True).stdout
    if not same_files(copy, new):
        raise SystemExit("bench_memory: rsync has made another file")
    return sum(int(re.search(r"Total bytes %s: ([\d,]+)" % what, out).group(1).replace(",", "")) for what in ("sent", "received"))


def of_xor(old, new):
    size = max(len(old), len(new))
    difference = int.from_bytes(old.ljust(size, b"\0"), "little") ^ int.from_bytes(new.ljust(size, b"\0"), "little")
    path = os.path.join(folder, "xor")
    with open(path, "wb") as f:
        f.write(difference.to_bytes(size, "little"))
    return piped("zstd", "-3", "-c", path)


def measure_pairs(series, paths):
    """Each pair of consecutive snapshots by each tool."""
    live = os.path.join(folder, "live")
    shutil.copyfile(paths[0], live)
    m = Mirror(live, ROUND_S)
    wait_for("the first copy", lambda: m.is_copied(paths[0]))
    sums = {}
    note("first copy", series, "dxwan", m.relay.total(), "bytes")
    for k in range(1, len(paths)):
        old, new = (open(p, "rb").read() for p in paths[k - 1:k + 1])
        last = m.relay.moved
        wait_for("a round", lambda: m.relay.moved > last and time.monotonic() - m.relay.moved > QUIET_S)
        before = m.relay.total()
        changed = write_changes(live, old, new)
        wait_for("a copy", lambda: m.is_copied(paths[k]))
        long = "--long=%d" % max(27, (2 * max(len(old), len(new)) - 1).bit_length())
        sizes = {"dxwan": m.relay.total() - before, "zstd -3": piped("zstd", "-3", "-c", paths[k]),
                 "zstd -3 --patch-from": piped("zstd", "-3", long, "-c", "--patch-from=" + paths[k - 1], paths[k]),
                 "rsync --inplace": of_rsync(paths[k - 1], paths[k]), "XOR + zstd -3": of_xor(old, new)}
        note("changed pages", "%s %d" % (series, k), "", changed, "of %d" % ((len(new) + PAGE - 1) // PAGE))
        for tool, size in sizes.items():
            note("a snapshot", "%s %d" % (series, k), tool, size, "bytes")
            sums[tool] = sums.get(tool, 0) + size
    m.end()
    for tool, size in sums.items():
        note("all snapshots", series, tool, size, "bytes")
    for tool, bar in (("zstd -3", 5), ("XOR + zstd -3", 2), ("zstd -3 --patch-from", 1)):
        note("times as many bytes as dxwan", series, tool, sums[tool] / sums["dxwan"], "x", bar)


def keep(series, k, data):
    path = os.path.join(folder, "%s.%d" % (series, k))
    with open(path, "wb") as f:
        f.write(data)
    return path


# >>processes
def mappings(process):
    for line in open("/proc/%d/maps" % process):
        place, rights, _, _, _, *name = line.split(None, 5)
        begin, end = (int(v, 16) for v in place.split("-"))
        yield begin, end, rights, name[0].strip() if name else ""


class Memory:
    """Ranges of a process, each at the place that it got when first seen."""
    def __init__(self, process, wanted):
        self.process, self.wanted, self.places, self.size = process, wanted, {}, 0

    def read(self):
        found = [(b, e) for b, e, rights, name in mappings(self.process) if self.wanted(rights, name)]
        for begin, end in found:
            at, size = self.places.get(begin, (self.size, 0))
            if end - begin > size:
                if size and at + size != self.size:
                    at = self.size
                self.places[begin] = (at, end - begin)
                self.size = max(self.size, at + end - begin)
        image = bytearray(self.size)
        with open("/proc/%d/mem" % self.process, "rb", 0) as f:
            for begin, end in found:
                for at in range(begin, end, 1 << 20):
                    try:
                        f.seek(at)
                        data = f.read(min(1 << 20, end - at))
                    except OSError:
                        continue
                    place = self.places[begin][0] + at - begin
                    image[place:place + len(data)] = data
        return bytes(image)


def snapshots(series, read):
    paths = []
    for k in range(SNAPSHOTS):
        begun = time.monotonic()
        paths.append(keep(series, k, read()))
        time.sleep(max(0, 1 - (time.monotonic() - begun)))
    return paths


def part_postgres():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"), key=lambda path: int(path.split("/")[4]))
    if not found:
        print("left out: PostgreSQL is not installed")
        return
    tools = os.path.dirname(found[-1])
    home = tempfile.mkdtemp(dir="/tmp")
    user = {} if os.getuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
    if user:
        owner = pwd.getpwnam("postgres")
        os.chown(home, owner.pw_uid, owner.pw_gid)
    data = home + "/data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home, **user}
    try:
        subprocess.run([tools + "/initdb", "-D", data, "-U", "test", "-A", "trust", "--no-sync"], check=True, **quiet)
        server = subprocess.Popen([tools + "/postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "shared_buffers=96MB"], **quiet)
        load = None
        try:
            wait_for("PostgreSQL", lambda: subprocess.run([tools + "/pg_isready", "-h", home], **quiet).returncode == 0)
            pgbench = [tools + "/pgbench", "-h", home, "-U", "test"]
            subprocess.run([*pgbench, "-i", "-s", "5", "postgres"], check=True, **quiet)
            load = subprocess.Popen([*pgbench, "-c", "4", "-T", str(SNAPSHOTS + 20), "postgres"], **quiet)
            time.sleep(3)
            memory = Memory(server.pid, lambda rights, name: rights == "rw-s" and name.startswith("/dev/zero"))
            paths = snapshots("postgres", memory.read)
        finally:
            if load:
                stop(load)
            server.send_signal(signal.SIGINT)
            server.wait(LIMIT_S)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    measure_pairs("postgres", paths)


NODE = """
const rows = new Map(), names = ['alpha', 'beta', 'gamma', 'delta', 'kappa', 'omega'];
let next = 0, seed = 1;
const random = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
const make = id => ({id, name: names[random(6)] + id, at: new Date(id * 1000), tags: names.filter(() => random(2)), price: random(100000) / 100, owner: null});
for (; next < 60000; next++) rows.set(next, make(next));
setInterval(() => {
    for (let i = 0; i < 200; i++) { const row = rows.get(next - 1 - random(60000)); if (row) { row.price += 1; row.tags.push('seen' + next); if (row.tags.length > 8) row.tags = row.tags.slice(4); } }
    for (let i = 0; i < 50; i++) { rows.delete(next - 60000); rows.set(next, make(next)); next++; }
    JSON.stringify([...rows.values()].slice(0, 200));
}, 50);
"""


def part_node():
    if not shutil.which("node"):
        print("left out: node is not installed")
        return
    node = subprocess.Popen(["node", "-e", NODE])
    try:
        time.sleep(4)
        paths = snapshots("node", Memory(node.pid, lambda rights, name: rights.startswith("rw") and name != "[vvar]").read)
    finally:
        stop(node)
    measure_pairs("node", paths)


# >>guests
DIRTY_C = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* dirty MIB PAGES_S: fill memory with records, then write 64 random bytes into so many random pages a second. */
int main(int argc, char **argv)
{
    const size_t size = (size_t)atol(argv[1]) << 20, rate = (size_t)atol(argv[2]);
    uint64_t seed = 7;
    char *p = malloc(size);
    (void)argc;
    for (size_t at = 0; at + 64 <= size; at += 64) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        snprintf(p + at, 64, "record %zu of %llx, price %u", at / 64, (unsigned long long)(seed >> 20), (unsigned)(seed >> 50));
    }
    puts("dirty: filled");
    for (;;) {
        const struct timespec rest = {0, 10000000};
        for (size_t i = 0; i < rate / 100; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            char *at = p + (seed >> 33) % (size / 4096) * 4096 + (seed >> 20) % 4032;
            for (int b = 0; b < 64; b++) at[b] = (char)((seed = seed * 6364136223846793005u + 1) >> 56);
        }
        nanosleep(&rest, NULL);
    }
}
"""
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
echo init: started
case "$(/bin/busybox cat /proc/cmdline)" in
*work=dirty*) m=$(/bin/busybox sed 's/.*mib=\\([0-9]*\\).*/\\1/' /proc/cmdline); r=$(/bin/busybox sed 's/.*rate=\\([0-9]*\\).*/\\1/' /proc/cmdline); exec /bin/dirty $m $r;;
esac
i=0
while :; do
    /bin/busybox find / -xdev -type f 2>/dev/null | /bin/busybox sort > /tmp/list.$((i % 8))
    /bin/busybox tar -c -f - /bin 2>/dev/null | /bin/busybox gzip -1 > /tmp/bin.$((i % 4)).tgz
    /bin/busybox awk 'BEGIN { for (n = 0; n < 4000; n++) print "line " n, rand() }' > /tmp/lines.$((i % 16))
    i=$((i + 1))
done
"""
guest_files = []


def guest_kernel():
    """The kernel and an initramfs, made once."""
    if guest_files:
        return guest_files
    kernel = os.environ.get("KERNEL")
    if not kernel:
        place = os.path.join(TOP, "build", "memory_kernel")
        os.makedirs(place, exist_ok=True)
        if not glob.glob(place + "/boot/vmlinuz-*"):
            text = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], stdout=subprocess.PIPE, text=True, check=True).stdout
            package = re.search(r"Depends: (linux-image-\S+)", text).group(1)
            subprocess.run(["apt-get", "download", "-q", package], cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run(["dpkg", "-x", glob.glob(place + "/linux-image-*.deb")[0], place], check=True)
        kernel = sorted(glob.glob(place + "/boot/vmlinuz-*"))[-1]
    root = tempfile.mkdtemp(dir=folder)
    os.makedirs(root + "/bin")
    shutil.copy(shutil.which("busybox"), root + "/bin/busybox")
    for line in subprocess.run(["ldd", root + "/bin/busybox"], stdout=subprocess.PIPE, text=True).stdout.splitlines():
        library = re.search(r"(/\S+)", line)
        if library:
            target = root + library.group(1)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(library.group(1), target)
    with open(root + "/init", "w") as f:
        f.write(INIT)
    os.chmod(root + "/init", 0o755)
    subprocess.run([os.environ.get("CC") or "cc", "-O1", "-static", "-x", "c", "-", "-o", root + "/bin/dirty"], input=DIRTY_C, text=True, check=True)
    initramfs = os.path.join(folder, "initramfs")
    names = subprocess.run(["find", "."], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    with open(initramfs, "wb") as f:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], input=names, cwd=root, stdout=f, stderr=subprocess.DEVNULL, check=True)
    guest_files.extend([kernel, initramfs])
    return guest_files


class Guest:
    """QEMU with its RAM in a file, and its monitor."""
    def __init__(self, mib, append="", *options, backed=True):
        kernel, initramfs = guest_kernel()
        self.folder = tempfile.mkdtemp(dir=folder)
        self.ram = os.path.join(self.folder, "ram")
        memory = "memory-backend-file,id=m,size=%dM,mem-path=%s,share=on" % (mib, self.ram) if backed else "memory-backend-ram,id=m,size=%dM" % mib
        self.log = os.path.join(self.folder, "serial")
        monitor = os.path.join(self.folder, "qmp")
        self.qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", os.environ.get("ACCEL") or "tcg,tb-size=32", "-m", "%dM" % mib, "-object", memory,
             "-machine", "q35,memory-backend=m", "-nodefaults", "-display", "none", "-serial", "file:" + self.log, "-qmp", "unix:%s,server=on,wait=off" % monitor,
             "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=1 " + append, *options], stderr=subprocess.DEVNULL)
        started.append(self.qemu)
        wait_for("QEMU's monitor", lambda: os.path.exists(monitor))
        time.sleep(0.2)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(monitor)
        self.stream = self.socket.makefile("rw")
        json.loads(self.stream.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise SystemExit("bench_memory: QEMU: %s: %s" % (command, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]

    def has_said(self, text):
        return os.path.exists(self.log) and text in open(self.log, errors="replace").read()

    def end(self):
        self.socket.close()
        stop(self.qemu)


def part_qemu():
    guest = Guest(GUEST_MB)
    try:
        time.sleep(2)
        paths = snapshots("qemu", lambda: open(guest.ram, "rb").read())
        print("the guest has started its programs: %s" % guest.has_said("init: started"))
    finally:
        guest.end()
    measure_pairs("qemu", paths)


def dirty_guest(mib, work_mib, rate, *options, backed=False):
    guest = Guest(mib, "work=dirty mib=%d rate=%d" % (work_mib, rate), *options, backed=backed)
    wait_for("the guest's program", lambda: guest.has_said("dirty: filled"))
    return guest


WORK_MIB, WORK_RATE, LIMIT_BYTES_S = 64, 1000, 16 << 20


def migrate(name, capability, **parameters):
    """By QEMU itself, to another QEMU on this machine."""
    port = free_port()
    options = ("-incoming", "defer")
    far = Guest(GUEST_MB, "", *options, backed=False)
    near = dirty_guest(GUEST_MB, WORK_MIB, WORK_RATE)
    for end in (far, near):
        if capability:
            end.ask("migrate-set-capabilities", capabilities=[{"capability": capability, "state": True}])
        end.ask("migrate-set-parameters", **{"max-bandwidth": LIMIT_BYTES_S, "downtime-limit": 200, **parameters})
    far.ask("migrate-incoming", uri="tcp:127.0.0.1:%d" % port)
    relay = Relay(port) # QEMU 7.2 counts pages of multifd before they are compressed
    near.ask("migrate", uri="tcp:127.0.0.1:%d" % relay.at)
    told = {}

    def is_over():
        told.update(near.ask("query-migrate"))
        return told.get("status") in ("completed", "failed", "cancelled")
    try:
        wait_for("a migration", is_over, 60)
        done = told["status"]
    except SystemExit:
        done = "no end within 60 s"
    ram = told["ram"]
    print("%s: %s: %s" % (name, done, json.dumps(told)))
    note("moved until the end" if done == "completed" else "moved in 60 s without an end", "a guest", name, relay.total(), "bytes")
    note("the same, as QEMU counts", "a guest", name, ram["transferred"], "bytes")
    note("rounds", "a guest", name, ram["dirty-sync-count"], "")
    note("time", "a guest", name, told["total-time"] / 1e3, "s")
    if done == "completed":
        note("pause", "a guest", name, told["downtime"], "ms")
    if "xbzrle-cache" in told:
        note("of which in XBZRLE pages", "a guest", name, told["xbzrle-cache"]["bytes"], "bytes")
    for end in (near, far):
        end.end()
    relay.close()


def mirror_process(series, guest, bytes_s):
    """The memory of QEMU, until it has been stopped for the last round."""
    begun = time.monotonic()
    m = Mirror("/proc/%d/mem" % guest.qemu.pid, 1, 0, "--once", "--rate", str(bytes_s))
    text, _ = m.mirror.communicate(timeout=300)
    if m.mirror.returncode:
        raise SystemExit("bench_memory: dxwan mirror ended with %d" % m.mirror.returncode)
    m.recv.wait(LIMIT_S)
    told = json.loads(text)
    print(told)
    note("moved until the end", series, "dxwan", m.relay.total(), "bytes")
    note("rounds", series, "dxwan", told["rounds"], "")
    note("time", series, "dxwan", time.monotonic() - begun, "s")
    return told["pause_us"] / 1e3


def part_migrate():
    migrate("QEMU", None)
    migrate("QEMU XBZRLE", "xbzrle", **{"xbzrle-cache-size": 512 << 20})
    migrate("QEMU multifd zstd", "multifd", **{"multifd-compression": "zstd", "multifd-channels": 4})
    guest = dirty_guest(GUEST_MB, WORK_MIB, WORK_RATE)
    note("pause", "a guest", "dxwan", mirror_process("a guest", guest, LIMIT_BYTES_S), "ms")
    guest.end()


def part_pause():
    for work_mib in (64, 256):
        guest = dirty_guest(4096, work_mib, 500)
        series = "4 GiB, %d MiB in use" % work_mib
        note("pause", series, "dxwan", mirror_process(series, guest, 125000000), "ms", 200)
        guest.end()


def part_speed():
    out = subprocess.run(["build/bench_memory", shutil.which("qemu-system-x86_64") or DXWAN], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    note("1 % of pages changed: compared and encoded", "64 MiB", "dxwan", float(out[0]), "GB/s", 2)
    note("1 % of pages changed: records of %s regions" % out[2], "64 MiB", "dxwan", int(out[1]), "bytes")


# >>results
def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return "%s; %s, %d processors, load %.1f" % (time.strftime("%Y-%m-%d"), model.group(1) if model else "?", os.cpu_count(), os.getloadavg()[0])


def read_results():
    if not os.path.exists(RESULTS):
        return
    lines = open(RESULTS).read().splitlines()
    for line in lines:
        if line.startswith("# "):
            name, _, text = line[2:].partition(": ")
            heads[name] = text
    rows.extend(csv.DictReader(line for line in lines if not line.startswith("#")))


def write_results():
    with open(RESULTS, "w", newline="") as f:
        for name, text in heads.items():
            f.write("# %s: %s\n" % (name, text))
        out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


PARTS = {"postgres": part_postgres, "node": part_node, "qemu": part_qemu, "migrate": part_migrate, "speed": part_speed, "pause": part_pause}


def main():
    global part, folder
    wanted = sys.argv[1:] or list(PARTS)
    if not set(wanted) <= set(PARTS):
        sys.exit("usage: bench_memory.py [%s]..." % "|".join(PARTS))
    read_results()
    for part in wanted:
        before = [row for row in rows if row["part"] == part]
        rows[:] = [row for row in rows if row["part"] != part]
        folder = tempfile.mkdtemp(dir=os.environ.get("WORK") or "build")
        guest_files.clear()
        count = len(rows)
        try:
            PARTS[part]()
        finally:
            stop(*started)
            started.clear()
            if os.environ.get("KEEP"):
                print("files: " + folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        if len(rows) == count:
            rows.extend(before)
            continue
        heads[part] = machine()
        write_results()


if __name__ == "__main__":
    main()
