#!/usr/bin/env python3
"""dxwan through a network at its worst: a proxy that delays, cuts and stalls connections; senders and receivers that are killed;
senders and receivers that lie. What arrives is the file, or nothing is there.
usage: test_dxwan.py [FILTER...]     runs the cases whose name contains one of the filters; -FILTER leaves them out
       DXWAN=path DX_TEST_SEED=n DX_ROUNDS=n DX_AT_ONCE=n (cases)
       DX_LONG=1: kills, cuts and black paths by the second and the gigabyte, some minutes each"""
import asyncio, contextlib, json, os, random, resource, shutil, signal, socket, stat, struct, subprocess, sys, tempfile, threading, time

top = os.getcwd()
DXWAN = os.path.abspath(os.environ.get("DXWAN", "build/dxwan"))
SEED = os.environ.get("DX_TEST_SEED", "1")
ROUNDS = int(os.environ.get("DX_ROUNDS", "3"))
LONG = os.environ.get("DX_LONG") == "1"
PATIENCE = 60  # seconds that anything may take on a busy machine
CASES_AT_ONCE = int(os.environ.get("DX_AT_ONCE", "7"))
MEMORY_MAX_KIB = 64 << 10  # of a process that transfers a file larger than this
counts = {"passed": 0, "failed": 0, "skipped": 0}


class Run:
    """A dxwan in the background. Its output is read when it has ended."""

    def __init__(self, *arguments, stdin=subprocess.DEVNULL, env=None):
        self.arguments = arguments
        self.process = subprocess.Popen([DXWAN, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=stdin, env=env)
        self.port = None
        running.append(self)

    def listening(self):
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on "), "%r, %s" % (line, self.process.stderr.read())
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def end(self, status=0, says=""):
        try:
            out, errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("dxwan %s does not end" % " ".join(map(str, self.arguments)))
        running.remove(self)
        self.out, self.errors = out.decode(), errors.decode()
        assert self.process.returncode == status, "status %d instead of %d: dxwan %s\n%s%s" % (
            self.process.returncode, status, " ".join(map(str, self.arguments)), self.out, self.errors)
        assert says in self.errors, "not said: %r, but %r" % (says, self.errors)
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def memory_kib(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return max((int(line.split()[1]) for line in f if line.startswith("VmHWM")), default=0)


running = []


class Skip(Exception):
    """This machine cannot do what a case needs."""


def receive(*arguments, out="in"):
    port, = free_ports(1) # where the next one may listen, too
    return Run("recv", "127.0.0.1:%d" % port, "--out", out, "--wait", PATIENCE, *arguments).listening()


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def random_bytes(dice, size):
    """randbytes() refuses more than 256 MiB."""
    return b"".join(dice.randbytes(min(1 << 26, size - at)) for at in range(0, size, 1 << 26))


def await_bytes(path, size):
    """Wait until a file has that many bytes, besides holes."""
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        with contextlib.suppress(OSError):
            if os.stat(path).st_blocks * 512 >= size:
                return
        time.sleep(0.02)
    raise AssertionError("%s does not get %d bytes" % (path, size))


def only(folder, *names):
    assert sorted(os.listdir(folder)) == sorted(names), "%s has %s" % (folder, sorted(os.listdir(folder)))


# ---- the network
class Proxy:
    """Forwards connections to a port, on a thread with an event loop. What it does to each is drawn from `dice`."""

    def __init__(self, port, seed, delay=(0, 0), cut_after=None, stall_one=False, rate=None, total=None):
        self.target, self.dice = port, random.Random(seed)
        self.delay, self.cut_after, self.stall_one, self.rate = delay, cut_after, stall_one, rate
        self.total, self.free_at = total, 0 # bytes a second of all together
        self.connections = self.cuts = self.bytes = 0
        self.dark = False # nothing passes, and nobody is told
        self.open, self.tasks = set(), []
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def run(self, ready):
        async def begin():
            listener = socket.create_server(("127.0.0.1", 0), backlog=300)
            if self.total: # acknowledged as on a link: small segments, evenly, and not what waits in a queue of the system
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
            self.server = await asyncio.start_server(self.serve, sock=listener, limit=1 << 13 if self.total else 1 << 16)
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()

        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    async def pump(self, reader, writer, plan):
        """Delay what arrives, and cut the connection after a number of bytes, in the middle of whatever that is."""
        queue = asyncio.Queue(2 if self.total else 8)

        async def deliver():
            while True:
                due, data = await queue.get()
                if not data:
                    break
                await asyncio.sleep(max(0, due - self.loop.time()))
                if plan["left"] is not None:
                    plan["left"] -= len(data)
                    if plan["left"] <= 0:
                        self.cuts += 1
                        for w in plan["writers"]:
                            w.transport.abort()
                        return
                writer.write(data)
                await writer.drain()
            writer.close()

        sender = asyncio.ensure_future(deliver())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(1 << 16):
                self.bytes += len(data)
                while plan["stalled"] or self.dark:
                    await asyncio.sleep(0.05)
                await queue.put((self.loop.time() + self.dice.uniform(*self.delay), data))
                if self.total:
                    self.free_at = max(self.free_at, self.loop.time()) + len(data) / self.total
                    await asyncio.sleep(self.free_at - self.loop.time())
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
        with contextlib.suppress(Exception):
            while queue.full() and not sender.done():
                await asyncio.sleep(0.01)
            if not sender.done():
                await queue.put((0, b""))
            await sender

    async def serve(self, reader, writer):
        self.connections += 1
        self.tasks.append(asyncio.current_task()) # the loop itself does not keep them alive
        plan = {"stalled": self.stall_one and self.connections == 1, "writers": [writer],
                "left": self.dice.randrange(*self.cut_after) if self.cut_after else None}
        self.open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 16)
        except OSError:
            writer.transport.abort()
            return
        plan["writers"].append(far_writer)
        await asyncio.gather(self.pump(reader, far_writer, plan), self.pump(far_reader, writer, plan), return_exceptions=True)
        self.open.discard(writer)

    def cut_all(self):
        """Reset all open connections."""
        def cut():
            for w in list(self.open):
                self.cuts += 1
                w.transport.abort()

        self.loop.call_soon_threadsafe(cut)

    def cut_one(self):
        def cut():
            if self.open:
                self.cuts += 1
                self.dice.choice(sorted(self.open, key=id)).transport.abort()

        self.loop.call_soon_threadsafe(cut)

    def close(self):
        self.cut_all()
        self.loop.call_soon_threadsafe(self.server.close)


# ---- HBTP by hand, for peers that lie
def crc32c(data, table=[]):
    if not table:
        for i in range(256):
            c = i
            for _ in range(8):
                c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
            table.append(c)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def frame(opcode, payload, flags=0, sequence=0):
    return struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload


def control(opcode, field, transfer, more=b""):
    body = frame(0xff, struct.pack("<HHI", opcode, field, transfer) + more, 0x10)
    return body + struct.pack("<I", crc32c(body))


def join(name=b"f", kind=0, version=1):
    return frame(0x30, struct.pack("<BBB", 1, version, kind) + name, 4, 1)


def offer(size, chunk=65536, transfer=7, digest=b"\1" * 32, version=1):
    return control(0x150, version, transfer, struct.pack("<IIQ", chunk, 0, size) + digest)


def chunk(offset, data, transfer=7, flags=0, crc=None):
    return frame(0x51, struct.pack("<IIQ", transfer, crc32c(data) if crc is None else crc, offset) + data, flags)


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return s


def frames_of(s):
    """The frames that arrive, as (opcode, flags, sequence, payload), until the connection ends."""
    with contextlib.suppress(OSError):
        f = s.makefile("rb")
        while len(head := f.read(8)) == 8:
            opcode, flags, sequence, size = struct.unpack("<BBHI", head)
            payload = f.read(size)
            if flags & 0x10:
                f.read(4)
            yield opcode, flags, sequence, payload


@contextlib.contextmanager
def fake_receiver(behave):
    """A receiver by hand: behave(socket, frames) for each connection, on a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0), backlog=300)
    done = threading.Event()

    def serve(s):
        with contextlib.suppress(OSError, ValueError, struct.error, StopIteration):
            behave(s, done)
        with contextlib.suppress(OSError):
            s.close()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        done.set()
        server.close()


def has_part(name):
    """Was dxwan built with this optional part?"""
    return b"no " + name.encode() not in subprocess.run([DXWAN, "--version"], stdout=subprocess.PIPE).stdout


def has_ipv6():
    """Can dxwan listen on [::1]?"""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


# ---- TLS
class Certificates:
    """CAs and what they signed, made with openssl in the directory of the case."""

    def __init__(self):
        if not has_part("TLS"):
            raise Skip("dxwan was built without OpenSSL")
        if not shutil.which("openssl"):
            raise Skip("openssl is not installed")
        self.authority("ca")
        self.authority("other-ca")
        self.sign("server", "ca", "IP:127.0.0.1,DNS:localhost")
        self.sign("client", "ca", "DNS:berlin.example")

    def run(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def authority(self, name):
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".crt",
                 "-days", "30", "-subj", "/CN=" + name)

    def sign(self, name, ca, names, days=30):
        """days < 0: it has expired."""
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
                 "-subj", "/CN=" + name)
        write(name + ".ext", b"subjectAltName=" + names.encode() + b"\n")
        self.run("x509", "-req", "-in", name + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial", "-days", str(days),
                 "-extfile", name + ".ext", "-out", name + ".crt")

    @staticmethod
    def own(name):
        return ("--tls-cert", name + ".crt", "--tls-key", name + ".key")


TRUST = ("--tls-ca", "ca.crt")


def case_tls_transfers_are_whole_and_handshakes_are_resumed():
    """Over TLS, with and without a certificate of the sender: files, a mirror, a directory, a probe; one full handshake for 64 connections."""
    c = Certificates()
    dice = random.Random(SEED)
    for size, sender in ((0, ()), (1, c.own("client")), (20000000, c.own("client"))):
        write("f", content := dice.randbytes(size))
        r = receive("--force", "--json", *c.own("server"), *(TRUST if sender else ()))
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--json", "--streams", 64 if size else 3, *TRUST, *sender).end()
        r.end()
        assert read("in/f") == content
        figures = json.loads(s.out)
        assert figures["tls_resumed"] >= figures["tls_handshakes"] - 1 and figures["tls_handshakes"] >= 1, figures
        if size > 1: # one byte is confirmed before the others have shaken hands
            assert figures["tls_handshakes"] >= 60, figures
    r = receive("--force", *c.own("server"), *TRUST)
    Run("mirror", "f", "127.0.0.1:%d" % r.port, "--once", *TRUST, *c.own("client")).end()
    r.end()
    assert read("in/f") == content
    os.makedirs("d/e")
    write("d/e/g", content[:3000000])
    r = receive(*c.own("server"), *TRUST, "--tls-name", "berlin.example")
    Run("mirror", "d", "localhost:%d" % r.port, "--once", *TRUST, *c.own("client")).end() # the other name of the certificate
    r.end()
    assert read("in/d/e/g") == content[:3000000]
    r = receive(*c.own("server"), *TRUST)
    Run("probe", "127.0.0.1:%d" % r.port, "--seconds", 1, "--streams", 4, *TRUST, *c.own("client")).end()
    r.kill(signal.SIGTERM)
    r.end(3)


def case_tls_at_full_speed_loses_no_connection():
    """300 MB over 16 connections as fast as the machine can: each connection is made once, so none is cut because the blocks of a carrier
    are used up. The same for a mirror, of which regions and answers are in flight in both directions."""
    c = Certificates()
    write("f", content := random.Random(SEED).randbytes(30000000) * 10)
    r = receive("--json", *c.own("server"))
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--json", "--streams", 16, *TRUST).end()
    r.end()
    sent, received = json.loads(s.out), json.loads(r.out)
    assert read("in/f") == content
    assert sent["tls_handshakes"] == 16 and received["connections_opened"] == 16, (sent, received)
    r = receive("--json", "--force", *c.own("server"))
    p = Proxy(r.port, SEED)
    s = Run("mirror", "f", "127.0.0.1:%d" % p.port, "--once", "--json", "--streams", 16, *TRUST).end()
    r.end()
    p.close()
    assert read("in/f") == content and p.connections == 16, p.connections


def case_tls_cuts_resumes_and_damage():
    """Connections are cut and delayed, bytes of them changed, both sides killed: what arrives is the file, and nothing of it can be read on the way."""
    c = Certificates()
    dice = random.Random(SEED)
    write("f", content := b"in the clear " * 500000 + dice.randbytes(3000000))
    tls = (*TRUST, *c.own("client"))
    for run in range(ROUNDS):
        r = receive("--force", *c.own("server"), *TRUST)
        p = Proxy(r.port, dice.random(), delay=(0, 0.03), cut_after=(300000, 1500000))
        Run("send", "f", "127.0.0.1:%d" % p.port, "--streams", 8, *tls).end()
        r.end()
        assert read("in/f") == content and p.cuts > 0
        os.unlink("in/f")
    seen = []
    r = receive("--force", *c.own("server"), *TRUST)
    with changing(r.port, seen, flip_after=400000, times=5) as port:
        Run("send", "f", "127.0.0.1:%d" % port, "--streams", 4, *tls).end()
    r.end()
    assert read("in/f") == content
    assert not any(b"in the clear" in part for part in seen) and sum(map(len, seen)) > len(content)
    os.unlink("in/f")
    r = receive("--force", *c.own("server"), *TRUST)
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--streams", 4, "--rate", "2M", *tls)
    await_bytes("in/.f.dxwan-part", 1 << 20)
    for killed in (s, r):
        killed.kill()
        killed.process.wait()
        running.remove(killed)
    r = Run("recv", "127.0.0.1:%d" % r.port, "--out", "in", "--wait", PATIENCE, *c.own("server"), *TRUST).listening()
    Run("send", "f", "127.0.0.1:%d" % r.port, *tls).end()
    r.end()
    assert read("in/f") == content


@contextlib.contextmanager
def changing(port, seen, flip_after, times):
    """Forward connections to a port; `seen` gets what the clients send. Of the first `times`, one bit is changed after so many bytes."""
    server = socket.create_server(("127.0.0.1", 0), backlog=300)
    left = [times]

    def pump(source, sink, flips):
        at = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if flips is not None:
                    seen.append(data)
                    if flips and at <= flip_after < at + len(data):
                        data = data[:-1] + bytes([data[-1] ^ 4])
                at += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                near = server.accept()[0]
                far = socket.create_connection(("127.0.0.1", port))
                flips = left[0] > 0
                left[0] -= 1
                threading.Thread(target=pump, args=(near, far, flips), daemon=True).start()
                threading.Thread(target=pump, args=(far, near, None), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def case_tls_says_why_it_refuses():
    """Wrong CA, expired, wrong name, no certificate, no TLS on one side: each ends soon with its own message, and the receiver still waits."""
    c = Certificates()
    c.sign("expired", "ca", "IP:127.0.0.1,DNS:berlin.example", -1)
    c.sign("elsewhere", "ca", "DNS:elsewhere.example")
    c.sign("foreign", "other-ca", "IP:127.0.0.1")
    write("f", b"content")
    command = ("send", "mirror", "probe")
    for server, sender, says, receiver in (
            (c.own("foreign"), TRUST, "TLS: its certificate is not signed by the CA of --tls-ca", ""),
            (c.own("foreign"), ("--tls-name", "127.0.0.1"), "TLS: its certificate is not signed by a CA of this system", ""),
            (c.own("expired"), TRUST, "TLS: its certificate has expired", ""),
            (c.own("elsewhere"), TRUST, "TLS: its certificate is not for the name '127.0.0.1'", ""),
            (c.own("server"), (*TRUST, "--tls-name", "tokyo.example"), "TLS: its certificate is not for the name 'tokyo.example'", ""),
            ((*c.own("server"), *TRUST), TRUST, "TLS: it refuses: it wants a certificate", "TLS: it has no certificate"),
            ((*c.own("server"), *TRUST), (*TRUST, *c.own("foreign")), "TLS: it refuses: the certificate of this side is not signed by its CA",
             "TLS: its certificate is not signed by the CA of --tls-ca"),
            ((*c.own("server"), *TRUST), (*TRUST, *c.own("expired")), "TLS: it refuses: the certificate of this side has expired",
             "TLS: its certificate has expired"),
            ((*c.own("server"), *TRUST, "--tls-name", "rome.example"), (*TRUST, *c.own("client")), "TLS: it refuses: the certificate of this side, perhaps for its name\n",
             "TLS: its certificate is not for the name 'rome.example'"),
            ((), TRUST, "TLS: it does not speak TLS", ""),
            (c.own("server"), (), "is not a dxwan receiver, or one that wants TLS", "TLS: it does not speak TLS")):
        r = receive(*server)
        for name in command:
            began = time.time()
            Run(name, *(("f",) if name != "probe" else ()), "127.0.0.1:%d" % r.port, *sender, *(("--once",) if name == "mirror" else ())).end(3, says)
            assert time.time() - began < 15, (name, says)
        only("in")
        if "wants TLS" in says:
            Run("send", "f", "127.0.0.1:%d" % r.port, *TRUST).end()
            r.end(0, receiver)
            os.unlink("in/f")
            continue
        r.kill(signal.SIGTERM)
        r.end(3, receiver)
    r = receive(*c.own("server"))
    for arguments, says in ((("--tls-cert", "server.crt"), "--tls-cert and --tls-key belong together"), (("--tls-ca", "missing"), "--tls-ca missing: No such file"),
                            (("--tls-ca", "f"), "--tls-ca f: "), (("--tls-cert", "server.crt", "--tls-key", "client.key"), "--tls-key client.key: is not the key of the certificate\n"),
                            (("--tls-cert", "f", "--tls-key", "client.key"), "--tls-cert f: "), (("--tls-ca", "ca.crt", "--tls-name", ""), "--tls-name")):
        Run("send", "f", "127.0.0.1:%d" % r.port, *arguments).end(2 if "missing" in says else 1, says)
    for arguments, says in ((TRUST, "needs --tls-cert and --tls-key"), ((*c.own("server"), "--tls-name", "x"), "--tls-name needs --tls-ca")):
        Run("recv", "127.0.0.1:0", *arguments).end(1, says)
    c.run("ec", "-in", "server.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    Run("recv", "127.0.0.1:0", "--tls-cert", "server.crt", "--tls-key", "locked.key").end(1, "--tls-key locked.key: has a passphrase") # asks nobody
    for option, path, says in (("--tls-cert", "f", "has no certificate in PEM"), ("--tls-cert", "in", "is a directory"),
                               ("--tls-key", "f", "has no private key in PEM"), ("--tls-key", "in", "is a directory")):
        own = dict(zip(c.own("server")[::2], c.own("server")[1::2]))
        own[option] = path
        Run("recv", "127.0.0.1:0", *[a for pair in own.items() for a in pair]).end(1, "%s %s: %s" % (option, path, says))


def case_tls_hostile_peers_that_stop():
    """A peer that stops in the middle of a handshake, a hundred that never begin one, garbage: the sender ends in time, the receiver still receives."""
    c = Certificates()
    write("f", content := random.Random(SEED).randbytes(100000))
    for script in ([], [("in", 5), ("rest", None)], [("in", 5), ("bytes", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"), ("rest", None)]):
        server = socket.create_server(("127.0.0.1", 0), backlog=300)
        held = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    for step, value in script:
                        if step == "in":
                            held[-1].recv(value)
                        elif step == "bytes":
                            held[-1].sendall(value)

        threading.Thread(target=accept, daemon=True).start()
        for name in ("send", "mirror"):
            began = time.time()
            Run(name, "f", "127.0.0.1:%d" % server.getsockname()[1], *TRUST, "--timeout", 2, "--streams", 4).end(3, "does not answer the handshake of TLS")
            assert time.time() - began < 20, time.time() - began
        server.close()
        for h in held:
            h.close()
    r = receive(*c.own("server"), *TRUST)
    dice = random.Random(SEED)
    peers = []
    for i in range(150):
        peers.append(socket.create_connection(("127.0.0.1", r.port)))
        with contextlib.suppress(OSError):
            peers[-1].sendall((b"", b"\x16\x03\x01\x02\x00\x01", dice.randbytes(300), b"GET / HTTP/1.1\r\n\r\n")[i % 4])
    Run("send", "f", "127.0.0.1:%d" % r.port, *TRUST, *c.own("client"), "--streams", 8).end()
    r.end(0, "TLS: ")
    assert read("in/f") == content
    for peer in peers:
        peer.close()


def case_named_files_that_never_end():
    """Every option and key that names a file: a FIFO or a device is refused at once and named, and nobody waits for it. Pipes of the process are read."""
    c = Certificates()
    write("f", b"content")
    os.mkfifo("fifo")
    tried = set()
    for command in ("send", "recv", "mirror", "probe", "daemon"):
        options = {line.split()[0] for line in subprocess.run([DXWAN, command, "--help"], stdout=subprocess.PIPE).stdout.decode().splitlines()
                   if line.strip().startswith("--") and " FILE " in line + " "}
        plain = {"send": ("f", "127.0.0.1:1"), "mirror": ("f", "127.0.0.1:1", "--once"), "daemon": ()}.get(command, ("127.0.0.1:0",))
        own = dict(zip(c.own("server")[::2], c.own("server")[1::2])) if command != "daemon" else {}
        for option in options:
            for path in ("fifo", "/dev/zero", "/dev/null"):
                arguments = [a for pair in {**own, option: path}.items() for a in pair]
                began = time.time()
                run = Run(command, *plain, *arguments).end(1)
                assert path in run.errors and ("is not a regular file" in run.errors or "is not a file" in run.errors), (command, option, run.errors)
                assert time.time() - began < 10, (command, option, path)
            tried.add(option)
    assert {"--tls-cert", "--tls-key", "--tls-ca", "--config", "--like"} <= tried, tried
    tables = receiver_table("r", free_ports(1)[0])
    keys = {"tls_cert": "server.crt", "tls_key": "server.key", "tls_ca": "ca.crt"}
    for key in keys:
        for path in ("fifo", "/dev/fd/0", "/dev/zero"):
            text = FEW + "".join("%s = '%s'\n" % (k, path if k == key else v) for k, v in keys.items()) + tables
            check_config(text, 1, "INVALID_CONFIG: checked.toml: [transport] %s %s: is not a " % (key, path))
    if not shutil.which("bash"):
        return
    bash = lambda text: subprocess.run(["bash", "-c", text, DXWAN], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    write("config", (FEW + tables).encode())
    done = bash('"$0" daemon --check-config --config <(sleep 0.3; cat config)')
    assert done.returncode == 0 and b"correct" in done.stdout, done
    r = receive(*c.own("server"), *TRUST)
    s = bash('"$0" send f 127.0.0.1:%d --tls-ca <(sleep 0.3; cat ca.crt) --tls-cert <(cat client.crt) --tls-key <(cat client.key)' % r.port)
    assert s.returncode == 0, s
    r.end()
    assert read("in/f") == b"content"
    began = time.time()
    done = bash('"$0" recv 127.0.0.1:0 --tls-cert <(exec sleep 60 2>/dev/null) --tls-key server.key')
    assert done.returncode == 1 and b"does not end within 10 s" in done.stdout and time.time() - began < 30, done
    done = bash('"$0" recv 127.0.0.1:0 --tls-cert <(yes 2>/dev/null) --tls-key server.key')
    assert done.returncode == 1 and b"larger than 1048576 bytes" in done.stdout, done


def case_dc_4_tls_keys_of_the_daemon():
    """tls_cert, tls_key, tls_ca, tls_name: checked with the files, in force for mirrors and receivers, and a failure has its reason."""
    c = Certificates()
    content = random.Random(SEED).randbytes(400000)
    write("m", content)
    os.mkdir("there")
    port, = free_ports(1)
    keys = FEW + "tls_cert = 'server.crt'\ntls_key = 'server.key'\ntls_ca = 'ca.crt'\n"
    tables = receiver_table("r", port, out="there", tls_name='"127.0.0.1"') + mirror_table("to", port, file="m")
    for text, says in ((FEW + "tls_cert = 'server.crt'\n" + tables, "dxwan: INVALID_CONFIG: checked.toml: [transport] tls_cert and tls_key belong together"),
                       (FEW + "tls_ca = 'ca.crt'\n" + tables, "dxwan: INVALID_CONFIG: checked.toml: [transport] a receiver with TLS needs tls_cert and tls_key\n"),
                       (keys.replace("server.key", "client.key") + tables, "INVALID_CONFIG: checked.toml: [transport] tls_key client.key: is not the key of the certificate\n"),
                       (keys.replace("'ca.crt'", "'m'") + tables, "INVALID_CONFIG: checked.toml: [transport] tls_ca m: "), (keys.replace("'ca.crt'", "''") + tables, "must not be empty"),
                       (FEW + "tls_cert = 1\n" + tables, ":5: tls_cert: must be a string"),
                       (FEW + receiver_table("r", port, tls_name='"x"'), "[[receiver]] r: a receiver with TLS needs"),
                       (keys.replace("tls_ca = 'ca.crt'\n", "") + tables, "INVALID_CONFIG: checked.toml: [[receiver]] r: tls_name needs tls_ca")):
        check_config(text, 1, says)
    check_config(keys.replace("server.key", "missing") + tables, 2, "INVALID_CONFIG: checked.toml: [transport] tls_key missing: No such file")
    check_config(keys + tables)
    d = Daemon(keys + tables).await_line("started")
    time.sleep(1)
    d.end()
    assert read("there/m") == content
    os.unlink("there/m")
    r = receive(*c.own("server"), "--tls-ca", "other-ca.crt")
    d = Daemon(keys + "timeout_ms = 1000\n" + mirror_table("to", r.port, file="m"))
    d.await_line("it refuses: the certificate of this side is not signed by its CA")
    d.kill(signal.SIGTERM)
    d.end(3, number=signal.SIGTERM)
    r.kill(signal.SIGTERM)
    r.end(3)


# ---- cases: whole transfers
def case_sizes_arrive():
    """AM-4, W-57: fewer chunks than connections, none, and many; it ends when all is there."""
    dice = random.Random(SEED)
    for size in (0, 1, 65535, 65536, 65537, dice.randrange(300000)):
        write("f", content := dice.randbytes(size))
        r = receive("--json", "--force")
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--json", "--streams", dice.choice((1, 3, 40))).end()
        r.end()
        assert read("in/f") == content
        only("in", "f")
        assert json.loads(s.out)["blake3"] == json.loads(r.out)["blake3"] and json.loads(r.out)["size"] == size


def case_counts_of_one_have_no_plural():
    """Whatever is counted: one has the singular, none and more the plural."""
    for size, bytes_ in ((1, "f: 1 byte"), (0, "f: 0 bytes"), (2, "f: 2 bytes")):
        write("f", b"x" * size)
        for command in ("send", "mirror"):
            r = receive("--force")
            s = Run(command, "f", "127.0.0.1:%d" % r.port, "--streams", 1, *(["--once"] if command == "mirror" else [])).end()
            r.end()
            assert s.out.startswith(bytes_) and (bytes_ + " in " in r.out or bytes_ + ", " in r.out), (s.out, r.out)
            assert "1 connection, " in s.out or " round" in s.out, s.out
            for line in (s.out + r.out).splitlines():
                words = line.replace(",", "").replace(":", "").split()
                for number, noun in zip(words, words[1:]):
                    assert not number.isdigit() or noun.rstrip("s") not in ("byte", "round", "connection", "segment") or (number == "1") == (noun[-1] != "s"), line
    r = receive()
    out = Run("probe", "127.0.0.1:%d" % r.port, "--streams", 4, "--seconds", 1).end().out
    assert "  1 connection: " in out and "  4 connections: " in out, out
    r.kill(signal.SIGTERM)
    r.end(3)


def case_standard_input():
    content = random.Random(SEED).randbytes(500000)
    r = receive(out="named")
    s = Run("send", "-", "127.0.0.1:%d" % r.port, "--name", "given", stdin=subprocess.PIPE)
    s.process.stdin.write(content)
    s.process.stdin.close()
    s.process.stdin = None
    s.end()
    r.end()
    assert read("named") == content


def case_a_slow_pipe_outlives_the_timeouts():
    """Standard input that takes longer than every time-out, with a pause as long: sender and receiver wait, as the sender shows that it lives. An input that
    never ends is left at SIGTERM, and one whose receiver never comes ends at --timeout."""
    parts = [random.Random("%s %d" % (SEED, i)).randbytes(200000) for i in range(5)]
    r = Run("recv", "127.0.0.1:0", "--out", "named", "--wait", 2, "--timeout", 2).listening()
    s = Run("send", "-", "127.0.0.1:%d" % r.port, "--timeout", 2, "--streams", 3, stdin=subprocess.PIPE)
    for part, pause in zip(parts, (1, 4, 0.5, 1, 0)):
        s.process.stdin.write(part)
        s.process.stdin.flush()
        time.sleep(pause)
    s.process.stdin.close()
    s.process.stdin = None
    s.end()
    r.end()
    assert read("named") == b"".join(parts)
    r = receive()
    s = Run("send", "-", "127.0.0.1:%d" % r.port, "--name", "f", stdin=subprocess.PIPE)
    time.sleep(1)
    s.kill(signal.SIGTERM)
    began = time.time()
    s.process.wait(PATIENCE)
    assert time.time() - began < 10
    s.end(3, "interrupted")
    r.kill(signal.SIGTERM)
    r.end(3)
    port, = free_ports(1)
    s = Run("send", "-", "127.0.0.1:%d" % port, "--timeout", 1, "--name", "f", stdin=subprocess.PIPE)
    s.process.wait(PATIENCE)
    s.end(3, "no connection within 1 s")
    only("in")


def case_delays_cuts_and_a_stalled_stream():
    """AM-2, AM-4: chunks in any order, one connection that rests from the beginning: the others carry its chunks."""
    for run in range(ROUNDS):
        dice = random.Random("%s %d" % (SEED, run))
        write("f", content := dice.randbytes(dice.randrange(4000000, 8000000)))
        r = receive("--force", "--json")
        p = Proxy(r.port, dice.random(), delay=(0, 0.03), cut_after=(200000, 1500000), stall_one=run % 2 == 0)
        s = Run("send", "f", "127.0.0.1:%d" % p.port, "--json", "--streams", dice.choice((4, 16))).end()
        r.end()
        p.close()
        assert read("in/f") == content, "run %d" % run
        only("in", "f")
        assert p.cuts > 0 and json.loads(s.out)["connections_lost"] > 0, "nothing was cut in run %d" % run


def case_all_streams_killed_again_and_again():
    """AM-10, W-59: what was on its way on a lost connection is sent again. Long: 1 GB; each second one stream is killed, each tenth all of them."""
    dice = random.Random(SEED)
    write("f", content := random_bytes(dice, 1000000000 if LONG else 12000000))
    r = receive("--json")
    p = Proxy(r.port, 1, rate=1500000 if LONG else 400000)
    s = Run("send", "f", "127.0.0.1:%d" % p.port, "--streams", 16)
    rounds = 0
    while LONG and s.process.poll() is None:
        time.sleep(1)
        rounds += 1
        p.cut_all() if rounds % 10 == 0 else p.cut_one()
    for _ in range(0 if LONG else 8):
        time.sleep(0.25)
        p.cut_all()
    s.end()
    r.end()
    p.close()
    if LONG:
        print("%d streams killed in %d s; %s" % (p.cuts, rounds, r.out.split("\n")[0]))
    assert read("in/f") == content and p.cuts > 20, p.cuts


def case_a_path_that_is_black_for_a_while():
    """AM-9: connections come back, in time, after the path was gone. Long: for 30 s; once as if each connection was reset, once in silence."""
    for silent in (False, True):
        write("f", content := random.Random(SEED).randbytes(6000000))
        r = receive("--force")
        p = Proxy(r.port, 1, rate=300000)
        s = Run("send", "f", "127.0.0.1:%d" % p.port, "--streams", 4)
        time.sleep(0.5)
        target, p.target = p.target, 1 # nobody listens there
        p.dark = silent
        if not silent:
            p.cut_all()
        time.sleep(30 if LONG else 1.5)
        assert s.process.poll() is None and r.process.poll() is None
        p.dark = False
        p.target = target
        s.end()
        r.end()
        p.close()
        assert read("in/f") == content


def case_both_killed_and_resumed():
    """AM-15: from what the receiver has made durable, not from the beginning. Long: 1 GB, both killed at ten random moments."""
    dice = random.Random(SEED)
    write("f", content := dice.randbytes(12000000))
    for who in ("sender", "receiver", "both"):
        shutil.rmtree("in")
        os.mkdir("in")
        r = receive()
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "3M", "--streams", 5)
        deadline = time.time() + PATIENCE
        while not os.path.exists("in/.f.dxwan-note") and time.time() < deadline:
            time.sleep(0.05)
        only("in", ".f.dxwan-note", ".f.dxwan-part")
        if who != "receiver":
            s.kill()
            s.end(-9)
        if who != "sender":
            port = r.port
            r.kill()
            r.end(-9)
            assert not os.path.exists("in/f")
            r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--json", "--wait", PATIENCE).listening()
        if who != "receiver":
            s = Run("send", "f", "127.0.0.1:%d" % r.port, "--json")
        s.end()
        r.end()
        assert read("in/f") == content
        only("in", "f")
        if who == "both":
            resumed = json.loads(r.out)["resumed_bytes"]
            sent = json.loads(s.out)
            assert resumed > 1000000, r.out
            # Each stream sends a chunk of 16 KiB before it knows what is there.
            assert sent["sent_bytes"] <= len(content) - resumed + 16384 * (sent["chunks_resent"] + sent["streams"]), (r.out, s.out)
    if LONG:
        kill_both_again_and_again(dice)


def kill_both_again_and_again(dice):
    """A gigabyte at 25 MB/s: it ends though both sides are killed ten times, at moments of any kind."""
    write("g", content := random_bytes(dice, 1000000000))
    port, = free_ports(1)
    for kills in range(11):
        r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--json", "--wait", PATIENCE).listening()
        s = Run("send", "g", "127.0.0.1:%d" % port, "--rate", "25M")
        if kills == 10:
            break
        time.sleep(dice.uniform(0.5, 7))
        assert s.process.poll() is None and not os.path.exists("in/g"), "it ended before it was killed %d times" % (kills + 1)
        for side in dice.sample((s, r), 2):
            side.kill()
            side.end(-9)
    s.end()
    r.end()
    print("killed 10 times; %s" % r.out.split("\n")[0])
    assert read("in/g") == content and json.loads(r.out)["resumed_bytes"] > 100000000, r.out


def case_ended_and_resumed():
    write("f", content := random.Random(SEED).randbytes(8000000))
    r = receive()
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "3M")
    await_bytes("in/.f.dxwan-part", 500000)
    r.kill(signal.SIGTERM)
    r.end(3, "interrupted; the partial file is kept")
    s.end(3, "was ended; send again to resume")
    only("in", ".f.dxwan-note", ".f.dxwan-part")
    # The note is damaged: everything is sent again.
    with open("in/.f.dxwan-note", "r+b") as f:
        f.seek(30)
        f.write(b"!!!!")
    r = receive("--json")
    Run("send", "f", "127.0.0.1:%d" % r.port).end()
    r.end(0, "the note is damaged")
    assert json.loads(r.out)["resumed_bytes"] == 0 and read("in/f") == content


def case_another_file_after_a_part():
    """A partial file and its note are not taken for another content of the same name."""
    dice = random.Random(SEED)
    write("f", dice.randbytes(8000000))
    r = receive()
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "3M")
    await_bytes("in/.f.dxwan-part", 500000)
    s.kill(signal.SIGTERM)
    s.end(3, "interrupted; send again to resume")
    r.end(3, "the sender was ended; the partial file is kept")
    write("f", content := dice.randbytes(3000000))
    r = receive("--json")
    Run("send", "f", "127.0.0.1:%d" % r.port).end()
    r.end()
    assert json.loads(r.out)["resumed_bytes"] == 0 and read("in/f") == content
    only("in", "f")


def case_rate_and_memory():
    """AM-6, W-60: one limit for all connections together: it is kept with one and with 64. Memory does not grow with the file."""
    write("f", content := random.Random(SEED).randbytes(100 << 20))
    r = receive("--force")
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--streams", 16)
    peak = 0
    while s.process.poll() is None:
        with contextlib.suppress(OSError):
            peak = max(peak, s.memory_kib(), r.memory_kib())
        time.sleep(0.02)
    s.end()
    r.end()
    assert read("in/f") == content and 0 < peak < MEMORY_MAX_KIB, "%d KiB" % peak
    write("f", content[:12000000])
    r = receive("--force")
    s = mirror(r, "--once")
    while s.process.poll() is None:
        with contextlib.suppress(OSError):
            peak = max(peak, s.memory_kib(), r.memory_kib())
        time.sleep(0.02)
    s.end()
    r.end()
    assert read("in/f") == content[:12000000] and peak < MEMORY_MAX_KIB, "%d KiB" % peak
    write("f", content[:3000000])
    for streams in (1, 64):
        r = receive("--force")
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--streams", streams, "--rate", 1500000, "--json").end()
        r.end()
        took = json.loads(s.out)["milliseconds"]
        assert 1850 < took < 3500, "%d ms with %d streams" % (took, streams)


# ---- cases: what is refused
def is_said_once(command):
    """Whatever keeps a command from a receiver, over 16 connections, is said once: that it is tried again, or why not."""
    def other(s, done): # HBTP, without the method
        for opcode, flags, sequence, payload in frames_of(s):
            if opcode == 0x30:
                s.sendall(frame(0x32, struct.pack("<I", 404) + b"not found", 0, sequence))

    def foreign(s, done):
        s.sendall(b"SSH-2.0-something\r\n")
        done.wait(5)

    for behave in (other, foreign):
        with fake_receiver(behave) as port:
            run = Run(command, "f", "127.0.0.1:%d" % port, "--timeout", 20).end(3)
            assert run.errors == "dxwan: 127.0.0.1:%d is not a dxwan receiver, or one that wants TLS\n" % port, run.errors
    run = Run(command, "f", "127.0.0.1:1", "--timeout", 1).end(3)
    assert run.errors == ("dxwan: 127.0.0.1:1: Connection refused; trying again for 1 s\n"
                          "dxwan: 127.0.0.1:1: no connection within 1 s: Connection refused\n"), run.errors


def case_refusals():
    write("f", b"new" * 1000)
    write("in/f", b"old")
    r = receive()
    Run("send", "f", "127.0.0.1:%d" % r.port).end(6, "exists; the receiver replaces it with --force only")
    r.end(6, "exists; --force replaces it")
    assert read("in/f") == b"old"
    only("in", "f")
    r = receive("--force", "--size-max", 2999)
    Run("send", "f", "127.0.0.1:%d" % r.port).end(6, "above its --size-max")
    r.end(6, "3,000 bytes are announced, above --size-max")
    assert read("in/f") == b"old"
    only("in", "f")
    is_said_once("send")
    Run("recv", "127.0.0.1:0", "--out", "no/such").end(2, "--out no/such: the directory no does not exist")
    Run("recv", "127.0.0.1:0", "--out", "no/").end(2, "--out no/: the directory no/ does not exist")
    Run("send", "nothing", "127.0.0.1:1").end(2, "nothing")
    Run("send", "in", "127.0.0.1:1").end(1, "in is a directory")
    Run("send", ".", "127.0.0.1:1").end(1, ". is a directory")
    Run("send", "/dev/null", "127.0.0.1:1").end(1, "/dev/null is not a file")
    for path in ("/proc/cpuinfo", "/proc/self/maps", "/proc/self/mem"): # they say that they have 0 bytes
        if os.path.exists(path):
            Run("send", path, "127.0.0.1:1", "--timeout", 1).end(1, path + " has no size, so it would be sent as empty")
    Run("send", "f", "nowhere").end(1, "'nowhere' is not an address")
    Run("send", "f", "127.0.0.1:1", "--name", "a/b").end(1, "has a slash")
    Run("send", "f", "127.0.0.1:1", "--name", ".b").end(1, "begins with a dot")
    Run("send", "f", "127.0.0.1:1", "--streams", 257).end(1, "--streams")
    Run("recv", "127.0.0.1:0", "--wait", 1).end(3, "no sender has come within 1 s")
    busy = socket.create_server(("127.0.0.1", 0))
    Run("recv", "127.0.0.1:%d" % busy.getsockname()[1]).end(5, "cannot listen")
    busy.close()
    r = receive("--force")
    Run("send", "f", "127.0.0.1:%d" % r.port, "--congestion", "nonsense").end(0, "does not offer congestion control 'nonsense'; connections use '")
    r.end()
    assert read("in/f") == b"new" * 1000


def case_a_partial_file_that_is_something_else():
    """What has the name of the partial file, and is none: nothing but a file of that name alone is written to."""
    write("f", b"new" * 100000)
    write("other", b"old" * 100000)
    for command in (("send",), ("mirror", "--once")):
        for make in (lambda part: os.mkfifo(part), lambda part: os.mkdir(part), lambda part: os.symlink("../other", part)):
            make("in/.f.dxwan-part")
            r = receive()
            Run(command[0], "f", "127.0.0.1:%d" % r.port, *command[1:]).end(6)
            r.process.wait(PATIENCE)
            assert r.process.returncode in (5, 6)
            r.end(r.process.returncode, "in/.f.dxwan-part: ")
            assert "room" not in r.errors, r.errors
            only("in", ".f.dxwan-part")
            os.rename("in/.f.dxwan-part", "gone")
            os.rmdir("gone") if os.path.isdir("gone") and not os.path.islink("gone") else os.unlink("gone")
        os.link("other", "in/.f.dxwan-part")
        r = receive()
        Run(command[0], "f", "127.0.0.1:%d" % r.port, *command[1:]).end()
        r.end(0, "in/.f.dxwan-part: has another name, too; everything is sent again")
        assert read("other") == b"old" * 100000 and read("in/f") == b"new" * 100000
        only("in", "f")
        os.unlink("in/f")


def case_a_file_that_changes_while_it_is_sent():
    write("f", content := random.Random(SEED).randbytes(6000000))
    r = receive()
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "2M")
    await_bytes("in/.f.dxwan-part", 1) # it has been hashed, and is read a second time
    with open("f", "r+b") as f:
        f.seek(5000000)
        f.write(b"changed")
    s.end(4, "f changed while it was sent")
    r.end(4, "is not what the sender announced; nothing was stored")
    only("in")
    r = receive()
    s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "2M")
    await_bytes("in/.f.dxwan-part", 1)
    os.truncate("f", 100000)
    s.end(4, "f became shorter while it was sent")
    r.end(3, "the sender gave up")
    assert not os.path.exists("in/f")


def case_two_receivers_of_one_file():
    write("f", bytes(4000000))
    first, second = receive(), receive()
    s = Run("send", "f", "127.0.0.1:%d" % first.port, "--rate", "1M")
    deadline = time.time() + PATIENCE
    while not os.path.exists("in/.f.dxwan-part") and time.time() < deadline:
        time.sleep(0.02)
    Run("send", "f", "127.0.0.1:%d" % second.port).end(6, "another dxwan receives this file")
    second.end(6, "another dxwan receives this file")
    s.end()
    first.end()
    assert read("in/f") == bytes(4000000)


# ---- cases: peers that lie
def case_hostile_senders():
    """AM-3, W-57: a chunk of another transfer, at a wrong place, with a wrong checksum, or of 4 GiB. Each sends frames that break a rule. Nothing appears but the partial file; the receiver ends in time with its own words."""
    data = bytes(65536)
    bad = {"no_join": [offer(100000)],
           "chunk_first": [join(), chunk(0, data)],
           "beyond": [join(), offer(100000), chunk(131072, data)],
           "far_beyond": [join(), offer(100000), chunk(1 << 62, data)],
           "unaligned": [join(), offer(100000), chunk(1, data)],
           "short": [join(), offer(100000), chunk(0, data[:-1])],
           "overlapping": [join(), offer(100000), chunk(0, data + b"x")],
           "wrong_crc": [join(), offer(100000), chunk(0, data, crc=1)],
           "wrong_final": [join(), offer(100000), chunk(0, data, flags=8)],
           "other_transfer": [join(), offer(100000), chunk(0, data, transfer=8)],
           "offer_twice": [join(), offer(100000), offer(100000)],
           "other_version": [join(), offer(100000, version=2)],
           "end_by_sender": [join(), offer(100000), control(0x152, 0, 7)],
           "have_by_sender": [join(), offer(100000), control(0x151, 0, 7, struct.pack("<I", 0))],
           "no_checksum": [join(), frame(0xff, struct.pack("<HHI", 0x150, 1, 7) + bytes(48))],
           "short_sign": [join(), frame(0xff, struct.pack("<HI", 0x8000, 1))],
           "sign_of_too_much": [join(), sign(1 << 60)],
           "garbage": [os.urandom(5000)],
           "too_many_chunks": [join(), offer(1 << 60)],
           "huge_frame": [join(), struct.pack("<BBHI", 0x51, 0, 0, 0xfffffff0)]}
    for name, frames in bad.items():
        shutil.rmtree("in")
        os.mkdir("in")
        r = receive("--timeout", 1, "--wait", 1)
        s = connect(r.port)
        with contextlib.suppress(OSError):
            for f in frames:
                s.sendall(f)
        got = list(frames_of(s))
        assert name == "huge_frame" or any(opcode == 2 for opcode, *_ in got) or got == [], (name, [g[0] for g in got])
        s.close()
        r.end(3, "no sender has come" if name in ("no_join", "chunk_first", "garbage", "other_version", "no_checksum", "too_many_chunks", "short_sign", "sign_of_too_much",
                                                              "huge_frame")
              else "nothing new has arrived for 1 s")
        only("in", *[n for n in os.listdir("in") if n in (".f.dxwan-part", ".f.dxwan-note")])


def case_hostile_names_and_offers():
    for name in (b"../f", b"a/b", b"", b"..", b".bashrc", b"a\nb", b"\xff\xfe", b"x" * 241, b"a\0b"):
        r = receive("--wait", 2)
        s = connect(r.port)
        s.sendall(join(name))
        answer = next(frames_of(s))
        assert answer[0] == 0x32 and b"the name of the file" in answer[3], (name, answer)
        s.close()
        r.kill(signal.SIGTERM)
        r.end(3, "was interrupted")
        only(".", "in")
        only("in")
    for o, status, says in ((offer(1 << 41), 6, "above --size-max"), (offer(1000, chunk=1), 3, "does not use"),
                            (offer(1 << 39, chunk=4096), 3, "does not use"), (offer(1000, chunk=1 << 20), 3, "does not use"),
                            (offer(1000, digest=bytes(32)), 3, "does not use"), (offer((1 << 40) - 5), 5, "not enough room")):
        r = receive()
        s = connect(r.port)
        s.sendall(join() + o)
        assert any(f[0] == 0xff and f[3][:2] == b"\x52\x01" for f in frames_of(s)), "no End"
        r.end(status, says)
        only("in")


def case_no_room_is_a_failure_of_the_system_and_said_once():
    """What a receiver has no room for: status 5 for a transfer and for a mirror, and one message, however many connections there are."""
    size = (1 << 40) - 5
    for kind, frames, says in ((0, offer(size), "in/f: the receiver's disk has not enough room"),
                               (0, offer(1 << 41), "f: 2,199,023,255,552 bytes are announced, above --size-max"),
                               (1, round_end(size), "in/f: the receiver's disk has not enough room")):
        r = receive()
        peers = [connect(r.port) for _ in range(1 if kind else 16)]
        for s in peers:
            s.sendall(join(kind=kind) + frames)
        r.end(5 if "room" in says else 6)
        assert r.errors == "dxwan: %s\n" % says, r.errors
        assert not os.path.exists("in/f")
        with contextlib.suppress(OSError):
            os.unlink("in/.f.dxwan-part")


def case_a_sender_with_a_wrong_hash():
    """AM-13: chunks that are right one by one are no file without the announced hash."""
    data = [os.urandom(65536), os.urandom(1000)]
    r = receive()
    s = connect(r.port)
    s.sendall(join() + offer(66536) + chunk(0, data[0]) + chunk(65536, data[1], flags=8))
    assert any(f[0] == 0xff and f[3][:4] == struct.pack("<HH", 0x152, 422) for f in frames_of(s))
    r.end(4, "is not what the sender announced; nothing was stored")
    only("in")


def case_an_endless_sender():
    """The same chunk for ever: the connection ends, the memory stays, and the receiver gives up."""
    r = receive("--timeout", 2)
    more = chunk(0, bytes(65536))
    sent, began = 0, time.time()
    with contextlib.suppress(OSError):
        s = connect(r.port)
        s.sendall(join() + offer(1 << 30))
        s.settimeout(5)
        while time.time() - began < 30 and r.process.poll() is None:
            s.sendall(more)
            sent += 1
            if sent % 100 == 0:
                assert r.memory_kib() < MEMORY_MAX_KIB
    assert sent > 10
    r.end(3, "nothing new has arrived for 2 s")
    only("in", ".f.dxwan-part", ".f.dxwan-note")


def case_many_bad_connections():
    """A sender that comes back after each refusal is not served for ever."""
    r = receive("--timeout", 50)
    for i in range(70):
        with contextlib.suppress(OSError):
            s = connect(r.port)
            s.sendall(join() + offer(100000) + chunk(1, bytes(65536)))
            list(frames_of(s))
    r.end(3, "the sender broke the protocol on 64 connections in a row: a frame breaks the rules")
    assert not os.path.exists("in/f")


def answer_join(s, frames):
    for f in frames:
        if f[0] == 0x30:
            s.sendall(frame(0x31, b"receiver", 0, f[2]))
            return
    raise OSError


def hostile_receivers():
    def reads_nothing(s, done):
        done.wait(PATIENCE)

    def silent(s, done):
        for _ in frames_of(s):
            pass

    def joins_only(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        for f in frames:
            if f[0] == 0:
                s.sendall(frame(1, b"", 0, f[2]))

    def transfer_of(frames):
        for f in frames:
            if f[0] == 0xff and f[3][:2] == b"\x50\x01":
                return struct.unpack("<I", f[3][4:8])[0], struct.unpack("<Q", f[3][16:24])[0]
        raise OSError

    def acknowledges_nothing(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        transfer, _ = transfer_of(frames)
        s.sendall(control(0x151, 0, transfer, struct.pack("<I", 0)))
        for _ in frames:
            pass

    def has_all(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        transfer, size = transfer_of(frames)
        count = (size + 16383) // 16384
        for at in range(0, count, 512):
            bits = min(512, count - at)
            s.sendall(control(0x151, 0, transfer, struct.pack("<I", at) + ((1 << bits) - 1).to_bytes((bits + 7) // 8, "little")))
        for _ in frames:
            pass

    def has_too_much(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        transfer, _ = transfer_of(frames)
        s.sendall(control(0x151, 0, transfer, struct.pack("<I", 0) + b"\xff" * 64))
        for _ in frames:
            pass

    def ends_at_once(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        transfer, _ = transfer_of(frames)
        s.sendall(control(0x152, 500, transfer))
        for _ in frames:
            pass

    def garbage(s, done):
        s.sendall(os.urandom(100000))
        for _ in frames_of(s):
            pass

    def hashes_backwards(s, done):
        frames = frames_of(s)
        answer_join(s, frames)
        for _ in range(100):
            s.sendall(frame(0xff, struct.pack("<HQ", 0x8000, 1 << 63)))
        for _ in frames:
            pass

    return ((reads_nothing, "no connection within 2 s"), (silent, "no connection within 2 s"),
            (joins_only, "does not say within 2 s what it has"), (acknowledges_nothing, "acknowledged nothing for 2 s"),
            (has_all, "has everything, but does not confirm it within 2 s"), (has_too_much, "within 2 s"),
            (ends_at_once, "gave up: it could not store the file (status 500)"), (garbage, "is not a dxwan receiver"),
            (hashes_backwards, "does not say within 2 s what it has"))


def case_hostile_receivers():
    """AM-8, AM-13: a connection, an answer, an acknowledgement or the confirmation that does not come in time; nothing is sent without it."""
    write("f", os.urandom(4000000))
    for behave, says in hostile_receivers():
        with fake_receiver(behave) as port:
            s = Run("send", "f", "127.0.0.1:%d" % port, "--timeout", 2, "--streams", 4)
            peak = 0
            while s.process.poll() is None and peak < MEMORY_MAX_KIB:
                with contextlib.suppress(OSError):
                    peak = max(peak, s.memory_kib())
                time.sleep(0.05)
            assert peak < MEMORY_MAX_KIB, "%s: %d KiB" % (behave.__name__, peak)
            try:
                s.end(3, says)
            except AssertionError as e:
                raise AssertionError("%s: %s" % (behave.__name__, e))


# ---- cases: a mirror
REGION = 262144


class Writer:
    """Changes a file all the time, on a thread: overwrites, appends, truncates, moves bytes."""

    def __init__(self, path, seed, pause=0.0005, resizes=True):
        self.path, self.dice, self.pause, self.resizes, self.acts, self.ending = path, random.Random(seed), pause, resizes, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        dice = self.dice
        with open(self.path, "r+b", buffering=0) as f:
            while not self.ending:
                size = os.fstat(f.fileno()).st_size
                act = dice.randrange(20)
                if act == 0 and self.resizes:
                    os.ftruncate(f.fileno(), dice.randrange(max(1, size - 100000), size + 150000))
                elif act == 1 and self.resizes:
                    f.seek(size)
                    f.write(dice.randbytes(dice.randrange(1, 50000)))
                else:
                    f.seek(dice.randrange(max(1, size)))
                    f.write(dice.randbytes(dice.randrange(1, 3000))[:max(1, size - f.tell())])
                self.acts += 1
                time.sleep(self.pause)

    def end(self):
        self.ending = True
        self.thread.join()


def mirror(r, *arguments, port=None):
    return Run("mirror", "f", "127.0.0.1:%d" % (port or r.port), "--json", *arguments)


def case_hd_8_mirror_sizes():
    """W-51: Each content over the partial copy of the one before: grown, shrunk, empty, identical, moved."""
    dice = random.Random(SEED)
    write("f", content := dice.randbytes(3 * REGION + 5))
    for run in range(14):
        r = receive("--json", "--force")
        s = mirror(r, "--once", "--streams", dice.choice((1, 4, 16))).end()
        r.end()
        assert read("in/f") == content, "run %d, %d bytes" % (run, len(content))
        only("in", "f")
        told, heard = json.loads(s.out), json.loads(r.out)
        assert told["blake3"] == heard["blake3"] and told["size"] == heard["size"] == len(content), (told, heard)
        # Those that are as in the copy before, or zeros where the partial file has a hole by then, are only compared.
        regions = -(-len(content) // REGION)
        assert told["regions_sent"] <= heard["regions_stored"] <= regions <= told["regions_sent"] + told["regions_compared"], (told, heard)
        at = dice.randrange(len(content) + 1)
        content = (b"", content[:at], content + dice.randbytes(dice.randrange(1, 400000)), content[at:] + content[:at], dice.randbytes(1),
                   dice.randbytes(REGION), bytes(2 * REGION - 1), dice.randbytes(dice.randrange(1 << 20)))[run % 8]
        write("f", content)


def case_mirror_follows_a_writer():
    """A writer changes the file between any two reads, until SIGTERM; then the copy is exactly the file. Deltas are small."""
    for run in range(ROUNDS):
        dice = random.Random("%s %d" % (SEED, run))
        write("f", dice.randbytes(dice.randrange(1, 3000000)))
        r = receive("--json", "--force")
        p = Proxy(r.port, dice.random(), delay=(0, 0.01), cut_after=(300000, 2000000)) if run % 2 else None
        w = Writer("f", dice.random(), resizes=run % 3 != 2)
        s = mirror(r, "--every", 1, "--streams", dice.choice((1, 4)), port=p and p.port)
        await_bytes("in/.f.dxwan-part", 1)
        time.sleep(dice.uniform(0.5, 2.5))
        w.end()
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        if p:
            p.close()
        assert read("in/f") == read("f"), "run %d, %d acts" % (run, w.acts)
        only("in", "f")
        assert w.acts > 20


def case_mirror_of_a_file_that_never_rests():
    """A final round that finds nothing changed, or nothing at all. The writer counts its turns in places all over the file, one
    after the other, so that a copy that mixes two moments shows it."""
    ending, places = threading.Event(), list(range(0, 8 * REGION, 16384))
    random.Random(SEED).shuffle(places)
    write("f", bytes(8 * REGION))

    def count():
        with open("f", "r+b", buffering=0) as f:
            turn = 0
            while not ending.is_set():
                turn += 1
                for at in places:
                    os.pwrite(f.fileno(), struct.pack("<Q", turn), at)
                    time.sleep(0.0002)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    r = receive()
    s = mirror(r, "--once")
    s.process.wait(PATIENCE)
    if s.process.returncode: # the usual end; on a busy machine, the writer may rest for long enough
        s.end(6, "f changed during each of 20 rounds; stop what writes it")
        r.kill(signal.SIGTERM)
        r.end(3, "the partial file is kept")
        assert not os.path.exists("in/f")
    else:
        s.end()
        r.end()
        copy = read("in/f")
        turns = [struct.unpack("<Q", copy[at:at + 8])[0] for at in places]
        assert turns == sorted(turns, reverse=True) and turns[0] - turns[-1] <= 1, turns
    ending.set()
    thread.join()
    r = receive("--json", "--force")
    mirror(r, "--once").end()
    r.end()
    assert read("in/f") == read("f")


def preload(source):
    """An environment in which functions of the system are those of this C source."""
    head = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/stat.h>\n#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n"
    write("shim.c", (head + source).encode())
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "shim.so", "shim.c"], check=True)
    return dict(os.environ, LD_PRELOAD=os.path.abspath("shim.so"), ASAN_OPTIONS="verify_asan_link_order=0")


def case_mirror_follows_a_file_that_is_replaced():
    """Editors and package managers write a new file and rename it: the copy is what FILE is at the end, and not the file that was opened."""
    dice = random.Random(SEED)
    write("f", dice.randbytes(3 * REGION))
    r = receive()
    m = Run("mirror", "f", "127.0.0.1:%d" % r.port)
    await_bytes("in/.f.dxwan-part", 3 * REGION)
    for n in range(3):
        content = dice.randbytes(2 * REGION + n)
        write("new", content)
        os.rename("new", "f")
        await_content("in/.f.dxwan-part", content[:5000])
    content = dice.randbytes(REGION + 1)
    write("new", content)
    os.rename("new", "f") # and the last one just before the end
    m.kill(signal.SIGTERM)
    m.end()
    r.end()
    assert read("in/f") == content


def case_a_partial_file_that_is_replaced_meanwhile():
    """Another file under the name of the partial one, while it is written: nothing gets the name of the file."""
    write("f", random.Random(SEED).randbytes(3000000))
    for command in ("send", "f"), ("mirror", "f", "--once"):
        r = receive()
        s = Run(command[0], "f", "127.0.0.1:%d" % r.port, "--rate", "2M", *command[2:])
        await_bytes("in/.f.dxwan-part", 500000)
        write("in/other", b"other")
        os.rename("in/other", "in/.f.dxwan-part")
        r.end(5, "in/.f.dxwan-part: was replaced by another file meanwhile; nothing was stored")
        s.process.wait(PATIENCE)
        assert s.process.returncode in (3, 6)
        s.end(s.process.returncode)
        assert not os.path.exists("in/f") and read("in/.f.dxwan-part") == b"other"
        for name in os.listdir("in"):
            os.unlink("in/" + name)


class Meddler:
    """Writes into the partial file at random moments, as a program does that has nothing to do with the transfer."""

    def __init__(self, dice, size, pause, path="in/.f.dxwan-part"):
        self.dice, self.size, self.pause, self.path = dice, size, pause, path
        self.written, self.is_over = 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def write(self):
        way = self.dice.random()
        try:
            with open(self.path, "r+b") as f:
                if way < 0.1:
                    f.truncate(self.dice.randrange(self.size))
                elif way < 0.2:
                    f.seek(self.size)
                    f.write(b"behind the end")
                else:
                    f.seek(self.dice.randrange(self.size))
                    f.write(self.dice.randbytes(self.dice.randrange(1, 40000)))
            self.written += 1
        except FileNotFoundError:
            pass

    def run(self):
        while not self.is_over:
            time.sleep(self.dice.uniform(0, self.pause))
            self.write()

    def end(self):
        self.is_over = True
        self.thread.join()


def case_a_foreign_writer_of_the_partial_file():
    """Another program writes into the partial file at any time: the file is exact, or both sides say that it failed, and soon."""
    dice = random.Random(SEED)
    outcomes = {"exact": 0, "failed": 0}
    for size, pause, moments in ((6000000, 0.4, 2), (6000000, 0.002, 10000), (40000000, 0.05, 30), (3000001, 0.2, 3), (20000000, 0.01, 5)) * ROUNDS:
        write("f", content := dice.randbytes(size))
        r = receive("--json")
        m = Meddler(dice, size, pause)
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "12M" if size < 10000000 else "40M")
        began = time.time()
        while r.process.poll() is None and m.written < moments and time.time() - began < PATIENCE:
            time.sleep(0.002)
        m.end()
        r.process.wait(PATIENCE)
        s.process.wait(PATIENCE)
        if r.process.returncode == 0:
            r.end()
            s.end()
            assert read("in/f") == content, "the writer wrote %d times" % m.written
            only("in", "f")
            os.unlink("in/f")
            outcomes["exact"] += 1
        else:
            r.end(4, "another program writes into it; nothing was stored")
            s.end(4)
            only("in")
            outcomes["failed"] += 1
    assert outcomes["exact"] >= 3 * ROUNDS, outcomes # all but the one that never stops
    # Once, at a moment that is chosen: before it is hashed, after that, and while the disk is waited for.
    for at in (0, 1000000, 7999999):
        write("f", content := dice.randbytes(8000000))
        r = receive("--json")
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "4M", "--json")
        await_bytes("in/.f.dxwan-part", 4000000)
        with open("in/.f.dxwan-part", "r+b") as f:
            f.seek(at)
            f.write(b"\xff")
        s.end()
        r.end(0, "another program has written into it; 1 chunks are sent again" if at < 2000000 else "")
        assert read("in/f") == content
        received = json.loads(r.out)["received_bytes"]
        assert received <= len(content) + 16384 * 40, "%d bytes" % received # no more than that, and what is sent before the receiver says what it has
        os.unlink("in/f")


def case_mirror_foreign_writer():
    """Another program writes into the partial file of a mirror, or appends to it, at any time until it has its name, also while a directory is made
    of it: what gets the name is exact, or both sides fail."""
    dice = random.Random(SEED)
    write("f", content := dice.randbytes(40 << 20))
    tree = {"d/a%d" % i: dice.randbytes(2000) for i in range(100)}
    tree["d/f"] = content
    os.mkdir("d")
    for path, text in tree.items():
        write(path, text)
    outcomes = {0: 0, 1: 0}
    for run in range(8 * ROUNDS):
        source = "fd"[run % 2]
        part, made = "in/.%s.dxwan-part" % source, "in/.%s.dxwan-tree" % source
        appends, waits = run % 4 < 2, run // 4 % 2
        r = receive()
        s = Run("mirror", source, "127.0.0.1:%d" % r.port, "--once", "--streams", 4)
        written, moments = 0, 1 if waits else dice.randrange(1, 10) # later writes could be those into the file with its name
        while r.process.poll() is None:
            with contextlib.suppress(OSError):
                size = os.path.getsize(part)
                if (size >= len(content) if waits else size) and (source == "f" or not waits or os.path.exists(made)) and written < moments:
                    with open(part, "r+b") as f:
                        os.pwrite(f.fileno(), b"\xff", size + 3 if appends else dice.randrange(30 << 20, size) if size > 32 << 20 else size - 1)
                    written += 1
            time.sleep(dice.random() * 0.01)
        s.process.wait(PATIENCE)
        good = r.process.returncode == 0
        outcomes[good] += 1
        if good:
            r.end()
            s.end()
            if source == "f":
                assert read("in/f") == content, (run, written)
            for path, text in tree.items() if source == "d" else ():
                assert read("in/" + path) == text, (run, path, written)
        else:
            r.end(r.process.returncode)
            s.end(s.process.returncode)
            assert r.process.returncode in (3, 4) and s.process.returncode in (3, 4, 5, 6), (run, r.process.returncode, s.process.returncode, r.errors, s.errors)
            assert not os.path.exists("in/" + source), run
        shutil.rmtree("in")
        os.mkdir("in")
    assert outcomes[0] and outcomes[1], outcomes


def sparse_file(path, size, islands):
    """A file of holes with (offset, bytes) in it."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at, content in islands:
            f.seek(at)
            f.write(content)


def case_holes_stay_holes():
    """Zeros of a file take no blocks at the receiver, at whatever offset they begin and end; also where a killed receiver had other data there."""
    dice = random.Random(SEED)
    for size in (64 << 20, (8 << 20) + 1):
        islands = [(dice.randrange(size - 5000), dice.randbytes(dice.randrange(1, 5000))) for _ in range(5)]
        sparse_file("f", size, islands + [(4096 * 200, bytes(8192))]) # the last one: zeros that are data
        r = receive()
        Run("send", "f", "127.0.0.1:%d" % r.port).end()
        r.end()
        assert read("in/f") == read("f")
        blocks = os.stat("in/f").st_blocks * 512
        assert blocks <= 5 * (5000 + 2 * 4096), "%d bytes for 5 islands" % blocks
        os.unlink("in/f")
    for _ in range(ROUNDS):
        size = 12 << 20
        sparse_file("f", size, [(at, dice.randbytes(30000)) for at in range(0, size - 30000, 1 << 20)])
        r = receive()
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "3M")
        deadline = time.time() + PATIENCE
        while not os.path.exists("in/.f.dxwan-note") and time.time() < deadline:
            time.sleep(0.01)
        r.kill()
        r.end(-9)
        with open("in/.f.dxwan-part", "r+b") as f: # other data in holes that have arrived, and that have not
            for _ in range(4):
                f.seek(dice.randrange(size - 100000))
                f.write(dice.randbytes(100000))
        r = Run("recv", "127.0.0.1:%d" % r.port, "--out", "in", "--wait", PATIENCE).listening()
        s.end()
        r.end()
        assert read("in/f") == read("f")
        only("in", "f")
        os.unlink("in/f")


def case_a_foreign_writer_between_two_runs():
    """What another program damages between an interrupted transfer and its resumption is fetched again in the same run."""
    dice = random.Random(SEED)
    for how in ("content", "shorter", "longer", "nothing") + ("content",) * ROUNDS:
        write("f", content := dice.randbytes(12000000))
        r = receive()
        s = Run("send", "f", "127.0.0.1:%d" % r.port, "--rate", "3M")
        await_bytes("in/.f.dxwan-part", 6000000)
        deadline = time.time() + PATIENCE
        while not os.path.exists("in/.f.dxwan-note") and time.time() < deadline: # without it all is sent again
            time.sleep(0.01)
        number = dice.choice((signal.SIGKILL, signal.SIGTERM))
        r.kill(number)
        r.end(-9 if number == signal.SIGKILL else 3)
        if number == signal.SIGTERM: # the sender is told
            s.end(3)
        if how == "shorter":
            os.truncate("in/.f.dxwan-part", 5000000)
        elif how != "nothing":
            with open("in/.f.dxwan-part", "r+b") as f:
                f.seek(dice.randrange(2000000) if how == "content" else len(content))
                f.write(dice.randbytes(100))
        r = Run("recv", "127.0.0.1:%d" % r.port, "--out", "in", "--json", "--wait", PATIENCE).listening()
        if number == signal.SIGTERM:
            s = Run("send", "f", "127.0.0.1:%d" % r.port)
        s.end()
        r.end(0, "another program has written into it" if how == "content" else "")
        assert read("in/f") == content, how
        only("in", "f")
        os.unlink("in/f")


def case_mirror_ends_though_times_lie_in_the_future():
    """The time of modification, which a program sets; and that of any change, because the clock was set back meanwhile."""
    back = preload("""int clock_gettime(clockid_t id, struct timespec *t)
        {
            const int result = (int)syscall(SYS_clock_gettime, id, t);
            if (id == CLOCK_REALTIME) t->tv_sec -= 3600;
            return result;
        }""")
    os.mkdir("d")
    for env in None, back:
        for path in "f", "d/f":
            write(path, content := os.urandom(300000))
            os.utime(path, (4000000000, 4000000000))
            r = receive("--force")
            Run("mirror", path[0], "127.0.0.1:%d" % r.port, "--once", "--streams", 2, env=env).end()
            r.end()
            assert read("in/" + path) == content and os.path.exists("in/" + path[0])


def case_a_slow_disk_of_the_receiver():
    """A --timeout of 2 s on both sides, and a receiver that hashes, unpacks and makes durable for 3 s each: it gives signs of life."""
    slow = preload("""static void rest(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }
        ssize_t pread(int f, void *p, size_t n, off_t at) { rest(8); return syscall(SYS_pread64, f, p, n, at); }
        ssize_t pread64(int f, void *p, size_t n, off64_t at) { rest(8); return syscall(SYS_pread64, f, p, n, at); }
        int syncfs(int f) { rest(3000); return (int)syscall(SYS_syncfs, f); }
        int fsync(int f)
        {
            struct stat s;
            if (fstat(f, &s) == 0 && S_ISREG(s.st_mode)) rest(3000);
            return (int)syscall(SYS_fsync, f);
        }""")
    os.mkdir("d")
    for path in "f", "d/f":
        write(path, b"")
        os.truncate(path, 24 << 20)
    runs = []
    for command, path in ("send", "f"), ("mirror", "f"), ("mirror", "d"):
        os.mkdir(out := "in/%d" % len(runs))
        port, = free_ports(1)
        r = Run("recv", "127.0.0.1:%d" % port, "--out", out, "--timeout", 2, env=slow).listening()
        once = ["--once"] if command == "mirror" else []
        runs.append((r, Run(command, path, "127.0.0.1:%d" % port, "--timeout", 2, "--streams", 2, *once)))
    for r, s in runs:
        s.end()
        r.end()
    assert read("in/0/f") == read("in/1/f") == read("in/2/d/f") == bytes(24 << 20)


def case_a_slow_disk_of_the_sender():
    """A receiver with a --timeout of 2 s, and a sender that hashes or compares for 3 s at a time: a new transfer, one that is resumed,
    a mirror, one that compares what is there, and one in which a single region of many has changed."""
    slow = preload("""static void rest(size_t n) { nanosleep(&(struct timespec){0, (long)(n < 262144 ? n : 262144) * 120}, NULL); }
        ssize_t pread(int f, void *p, size_t n, off_t at) { rest(n); return syscall(SYS_pread64, f, p, n, at); }
        ssize_t pread64(int f, void *p, size_t n, off64_t at) { rest(n); return syscall(SYS_pread64, f, p, n, at); }""")
    write("f", content := random.Random(SEED).randbytes(24 << 20))
    limits = ("--timeout", 2, "--wait", 2)

    def start(n, command, *arguments, port=None, env=slow):
        if not port:
            os.mkdir("in/%d" % n)
            port, = free_ports(1)
            runs[n] = [Run("recv", "127.0.0.1:%d" % port, "--out", "in/%d" % n, *limits).listening(), port]
        runs[n].append(Run(command, "f", "127.0.0.1:%d" % port, "--timeout", 2, "--streams", 2, *arguments, env=env))
        return runs[n][-1]

    runs = {}
    start(0, "send")
    send = start(1, "send", "--rate", "6M", env=None)
    await_bytes("in/1/.f.dxwan-part", 1 << 20)
    send.kill()
    send.end(-9)
    start(1, "send", port=runs[1][1])
    first = start(2, "mirror")
    start(3, "mirror", "--once")
    start(4, "mirror", "--every", 1)
    await_bytes("in/2/.f.dxwan-part", len(content))
    first.kill()
    first.end(-9)
    start(2, "mirror", "--once", port=runs[2][1])
    runs[3][-1].end()
    with open("f", "r+b") as f: # after 1, 2 and 3; 4 is in its rest, or compares
        runs[1][-1].end()
        runs[2][-1].end()
        f.write(b"changed")
    time.sleep(5)
    runs[4][-1].kill(signal.SIGTERM)
    runs[0][-1].end()
    runs[4][-1].end()
    for r, *_ in runs.values():
        r.end()
    assert all(read("in/%d/f" % n) == content for n in range(4)) and read("in/4/f") == b"changed" + content[7:]


def case_a_directory_that_is_listed_slowly():
    """A --timeout of 2 s on both sides, and a directory of which the names, or what the system says of each, take 4 s: at the first
    listing, at the last one, and while the receiver is started again. Two signals end a listing at once."""
    names = preload("""#include <dirent.h>
        #include <dlfcn.h>
        struct dirent *readdir(DIR *d)
        {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            return ((struct dirent *(*)(DIR *))dlsym(RTLD_NEXT, "readdir"))(d);
        }
        struct dirent64 *readdir64(DIR *d)
        {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            return ((struct dirent64 *(*)(DIR *))dlsym(RTLD_NEXT, "readdir64"))(d);
        }""")
    os.rename("shim.so", "names.so")
    names["LD_PRELOAD"] = os.path.abspath("names.so")
    infos = preload("""int fstatat(int f, const char *path, struct stat *out, int flags)
        {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            return (int)syscall(SYS_newfstatat, f, path, out, flags);
        }
        int fstatat64(int f, const char *path, struct stat64 *out, int flags)
        {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            return (int)syscall(SYS_newfstatat, f, path, out, flags);
        }""")
    os.mkdir("d")
    for n in range(200):
        write("d/%03d" % n, b"content %d" % n)
    runs = []
    for n, env in enumerate((names, infos, names)):
        os.mkdir("in/%d" % n)
        port, = free_ports(1)
        receiver = lambda: Run("recv", "127.0.0.1:%d" % port, "--out", "in/%d" % n, "--timeout", 2).listening()
        r, began = receiver(), time.time()
        s = Run("mirror", "d", "127.0.0.1:%d" % port, "--once", "--timeout", 2, "--streams", 2, env=env)
        if n == 2:
            time.sleep(1)
            r.kill()
            r.end(-9)
            r = receiver()
        runs.append((r, s, began))
    for n, (r, s, began) in enumerate(runs):
        s.end()
        r.end()
        assert time.time() - began > 7, "the listing was not slow"
        assert_same_tree("in/%d/d" % n, "d")
    os.mkdir("in/3")
    r = Run("recv", "127.0.0.1:0", "--out", "in/3", "--timeout", 2).listening()
    s = Run("mirror", "d", "127.0.0.1:%d" % r.port, "--timeout", 2, env=names)
    time.sleep(1)
    for _ in range(2):
        s.kill(signal.SIGTERM)
        time.sleep(0.1)
    began = time.time()
    s.end(3, "interrupted")
    assert time.time() - began < 1.5
    r.end(3)


def case_mirror_differences_are_small():
    content = bytearray(random.Random(SEED).randbytes(8 * REGION))
    write("f", content)
    r = receive("--json")
    s = mirror(r, "--every", 1)
    await_bytes("in/.f.dxwan-part", len(content))
    time.sleep(1.5)
    with open("f", "r+b") as f:
        for at in range(100, len(content), REGION // 2):
            f.seek(at)
            f.write(b"changed")
            content[at:at + 7] = b"changed"
    time.sleep(2)
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert read("in/f") == content
    told = json.loads(s.out)
    assert told["regions_sent"] >= 16 and told["regions_whole"] == 8, s.out
    assert told["record_bytes"] < len(content) + 10000, s.out


def case_mirror_killed_and_resumed():
    """Receiver, sender or both are killed while a writer is at work. What was there is not sent again."""
    dice = random.Random(SEED)
    for who in ("receiver", "sender", "both", "damaged"):
        shutil.rmtree("in")
        os.mkdir("in")
        write("f", dice.randbytes(16 * REGION))
        r = receive()
        port = r.port
        s = mirror(r, "--rate", "3M")
        await_bytes("in/.f.dxwan-part", 6 * REGION)
        w = Writer("f", dice.random(), pause=0.1, resizes=False)
        if who != "receiver":
            s.kill()
            s.end(-9)
        if who != "sender":
            r.kill()
            r.end(-9)
            only("in", ".f.dxwan-part")
            if who == "damaged":
                with open("in/.f.dxwan-part", "r+b") as f:
                    f.seek(dice.randrange(5 * REGION))
                    f.write(b"damage")
            r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--json", "--wait", PATIENCE).listening()
        if who != "receiver":
            s = mirror(None, port=port)
        time.sleep(0.5)
        w.end()
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        assert read("in/f") == read("f"), who
        only("in", "f")
        told = json.loads(s.out)
        assert told["regions_compared"] > 0 and (who == "receiver" or told["regions_whole"] < 16), "%s: %s" % (who, s.out)


def case_mirror_again_after_the_end():
    """A mirror that has ended has its name: the next one of the same file, with one byte changed, or shorter, or longer, finds there what it has, and sends the
    rest. A copy that somebody changed meanwhile is not trusted."""
    dice = random.Random(SEED)
    content = bytearray(dice.randbytes(20 * REGION + 1000))
    for step in ("first", "changed", "shorter", "longer", "copy damaged"):
        if step == "changed":
            content[5 * REGION + 7] ^= 1
        elif step == "shorter":
            del content[15 * REGION + 5:]
        elif step == "longer":
            content += dice.randbytes(REGION)
        elif step == "copy damaged":
            with open("in/f", "r+b") as f:
                f.seek(3 * REGION)
                f.write(b"damaged")
        write("f", bytes(content))
        r = receive("--force")
        s = Run("mirror", "f", "127.0.0.1:%d" % r.port, "--once", "--json").end()
        r.end()
        assert read("in/f") == content, step
        only("in", "f")
        sent = json.loads(s.out)["link_bytes"]
        assert sent > len(content) if step == "first" else sent < 2.2 * REGION, (step, sent)


def case_mirror_refusals():
    write("f", bytes(300000))
    write("in/f", b"old")
    r = receive()
    mirror(r, "--once").end(6, "exists; the receiver replaces it with --force only")
    r.end(6, "exists; --force replaces it")
    r = receive("--force", "--size-max", 299999)
    mirror(r, "--once").end(6, "gave up: the file is above --size-max")
    r.end(6, "the file is above --size-max")
    assert read("in/f") == b"old"
    Run("mirror", "nothing", "127.0.0.1:1").end(2, "nothing")
    Run("send", "in", "127.0.0.1:1").end(1, "in is a directory")
    is_said_once("mirror")
    r = receive("--force")
    s = mirror(r, "--rate", 100000)
    await_bytes("in/.f.dxwan-part", 4096)
    s.kill(signal.SIGTERM)
    s.kill(signal.SIGTERM)
    s.process.wait(PATIENCE)
    r.kill(signal.SIGTERM)
    r.process.wait(PATIENCE)


def case_mirror_of_a_block_device():
    """A loop device with a size that is no multiple of a region. What is written to its file lies below its cache, as what a mounted
    file system writes does: a round sees it."""
    content = bytearray(random.Random(SEED).randbytes(3 * REGION + 512))
    write("disk", content)
    if os.geteuid() or not shutil.which("losetup"):
        raise Skip("a loop device needs losetup and root")
    made = subprocess.run(["losetup", "--find", "--show", "disk"], capture_output=True, text=True)
    if made.returncode:
        raise Skip("losetup: " + made.stderr.strip())
    device = made.stdout.strip()
    try:
        r = receive("--json")
        s = Run("mirror", device, "127.0.0.1:%d" % r.port, "--name", "image", "--json", "--every", 1)
        await_bytes("in/.image.dxwan-part", len(content))
        for turn in range(2):
            time.sleep(1.2)
            with open(("disk", device)[turn], "r+b", buffering=0) as f:
                at = 512 * random.Random(turn).randrange(len(content) // 512)
                f.seek(at)
                f.write(content[at:at + 512].translate(bytes(range(1, 256)) + b"\0"))
                content[at:at + 512] = content[at:at + 512].translate(bytes(range(1, 256)) + b"\0")
                os.fsync(f.fileno())
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        assert read("in/image") == content
        only("in", "image")
        assert json.loads(s.out)["regions_whole"] == 4 and json.loads(s.out)["regions_sent"] > 4, s.out
        Run("mirror", "/dev/null", "127.0.0.1:1").end(1, "/dev/null is not a file, a directory, a block device or the memory of a process")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


# ---- cases: the memory of a process
class Child:
    """dxwan_memory.c, with the addresses that it prints."""

    def __init__(self, mode, seed=1):
        subprocess.run(["cc", "-O1", "-pthread", "-o", "child", top + "/tests/programs/dxwan_memory.c"], check=True)
        self.process = subprocess.Popen([os.path.abspath("child"), mode, str(seed)], stdout=subprocess.PIPE)
        running.append(self)
        self.state, *self.cells = map(int, self.process.stdout.readline().split())
        self.pid, self.seed = self.process.pid, seed
        self.path = "/proc/%d/mem" % self.pid
        self.copy = "in/%d.core" % self.pid

    def runs(self):
        """The state letters of all threads; a process that runs has neither T nor t."""
        letters = ""
        for tid in os.listdir("/proc/%d/task" % self.pid):
            with contextlib.suppress(OSError), open("/proc/%d/task/%s/stat" % (self.pid, tid)) as f:
                letters += f.read().rsplit(") ", 1)[1][0]
        return letters

    def await_traced(self, run):
        deadline = time.time() + PATIENCE
        while "t" not in self.runs():
            assert time.time() < deadline and run.process.poll() is None, "never stopped: %s" % self.runs()
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        running.remove(self)
        return self.process.wait(PATIENCE)


class Core:
    """The image of docs/formats/memory.md."""

    def __init__(self, path):
        self.bytes = read(path)
        (magic, kind, machine, version, self.entry, table, sections, flags, size, entry_size, count) = struct.unpack(
            "<16sHHIQQQIHHH", self.bytes[:58])
        assert magic == b"\x7fELF\x02\x01\x01" + bytes(9) and (kind, version, size, entry_size) == (4, 1, 64, 56) and not sections
        assert table + 56 * count == len(self.bytes) and not any(self.bytes[64:4096])
        heads = [struct.unpack("<IIQQQQQQ", self.bytes[table + 56 * i:table + 56 * i + 56]) for i in range(count)]
        assert all(h[0] == 1 and h[1] & 2 and h[5] == h[6] and h[5] % 4096 == 0 and h[7] == 4096 for h in heads)
        self.pieces = [(h[3], h[5], h[2]) for h in heads]
        for index, first in ((0, 0), (2, 4096)): # no two have an address or a place in common
            end = first
            for p in sorted(self.pieces, key=lambda p: p[index]):
                assert p[index] >= end and p[index] % 4096 == 0, self.pieces
                end = p[index] + p[1]
        assert end <= table

    def at(self, address, size):
        out = b""
        while size:
            start, have, place = next(p for p in self.pieces if p[0] <= address < p[0] + p[1])
            n = min(size, start + have - address)
            out += self.bytes[place + address - start:place + address - start + n]
            address, size = address + n, size - n
        return out

    def check_count(self, child):
        """Everything that the child's threads have written, up to the steps that they had counted; each may be one step
        further than it says."""
        state = self.at(child.state, 16 + 64 * 32)
        total = 0
        for i, steps in enumerate(struct.unpack("<QQ", state[:16])):
            cells = struct.unpack("<131072Q", self.at(child.cells[i], 8 * 131072))
            x, expected = child.seed + i, [0] * 131072
            for step in range(1, steps + 2):
                before, x = list(expected) if step == steps + 1 else None, (x * 6364136223846793005 + 1442695040888963407) % (1 << 64)
                expected[(x >> 33) % 131072] = step
            assert list(cells) in (before, expected), "thread %d, %d steps" % (i, steps)
            total += steps
        live = 0
        for k in range(64):
            address, size, number, what = struct.unpack("<QQQQ", state[16 + 32 * k:48 + 32 * k])
            if what == 1:
                live += 1
                content = self.at(address, size)
                for page in range(size // 4096):
                    assert content[page * 4096:page * 4096 + 8] == struct.pack("<Q", number * 1000 + page), (k, page)
        return total, live


def mirror_of(child, r, *arguments, env=None):
    return Run("mirror", child.path, "127.0.0.1:%d" % r.port, "--json", *arguments, env=env)


def case_mirror_memory_of_one_moment():
    """Threads that write, and one that maps, moves and unmaps at random, meanwhile: the image is of one moment, and they continue."""
    for run in range(max(2, ROUNDS - 1)):
        child = Child("count", run + 7)
        r = receive("--json")
        s = mirror_of(child, r, *(("--once",) if run else ("--every", 1)))
        if not run:
            await_bytes("in/.%d.core.dxwan-part" % child.pid, 2 << 20)
            time.sleep(2.5)
            s.kill(signal.SIGTERM)
        s.end()
        r.end()
        told = json.loads(s.out)
        assert told["rounds"] >= 2 and 0 < told["pause_us"] < 10 * 10**6, told
        only("in", "%d.core" % child.pid)
        steps, live = Core(child.copy).check_count(child)
        assert steps > 1000 and live > 5, (steps, live)
        assert not set(child.runs()) & set("Tt"), child.runs()
        child.end()
        shutil.rmtree("in")
        os.mkdir("in")


def case_mirror_memory_of_a_stopped_process():
    """One that SIGSTOP has stopped stays so, and its image has every byte of every writable mapping."""
    child = Child("count")
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGSTOP)
    deadline = time.time() + PATIENCE
    while set(child.runs()) != {"T"} and time.time() < deadline:
        time.sleep(0.01)
    r = receive()
    mirror_of(child, r, "--once").end()
    r.end()
    core, count = Core(child.copy), 0
    with open("/proc/%d/maps" % child.pid) as maps, open(child.path, "rb", buffering=0) as memory:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if line.split()[1][1] == "w":
                assert core.at(begin, end - begin) == os.pread(memory.fileno(), end - begin, begin), line
                count += end - begin
    assert count == sum(p[1] for p in core.pieces) > 2 << 20
    assert set(child.runs()) == {"T"}, child.runs()
    child.end()


def case_mirror_memory_that_was_never_touched():
    """Pages here and there of a large mapping: the image has them, and zeros for the others, which are not read: that would take page tables."""
    dice = random.Random(SEED)
    count = 1 << 14
    touched = sorted(dice.sample(range(count // 2), 1500) + list(range(5000, 5200)))
    program = """import ctypes, mmap, sys
m = mmap.mmap(-1, %d, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(15) # MADV_NOHUGEPAGE
for page in %r: m[4096 * page:4096 * page + 4] = page.to_bytes(4, "little")
print(ctypes.addressof(ctypes.c_char.from_buffer(m)), flush=True)
sys.stdin.read()
""" % (4096 * count, touched)
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tables(): # of pages: one that is read has an entry, though it has no memory
        with open("/proc/%d/status" % child.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmPTE"))
    try:
        at, before = int(child.stdout.readline()), tables()
        r = receive()
        Run("mirror", "/proc/%d/mem" % child.pid, "127.0.0.1:%d" % r.port, "--once", "--quiet").end()
        r.end()
        grown = tables() - before
    finally:
        child.kill()
        child.communicate()
    assert grown < 32, grown
    content = Core("in/%d.core" % child.pid).at(at, 4096 * count)
    wanted = set(touched)
    for page in range(count):
        assert content[4096 * page:4096 * (page + 1)] == (page.to_bytes(4, "little") if page in wanted else b"").ljust(4096, b"\0"), page


def case_mirror_memory_while_it_runs():
    """--pause 0: the process is never stopped; the image is whole as a file."""
    child = Child("count")
    r = receive()
    s = mirror_of(child, r, "--once", "--pause", 0)
    while s.process.poll() is None:
        assert "t" not in child.runs()
        time.sleep(0.005)
    s.end()
    r.end()
    assert Core(child.copy).at(child.state, 8) > bytes(8) and json.loads(s.out)["pause_us"] == 0
    child.end()


def slow_while_stopped(child):
    """An environment in which each read of the memory of a child takes 0.3 s while the child is stopped."""
    slow = preload("""ssize_t pread(int f, void *p, size_t n, off_t at)
        {
            char path[64], text[4096];
            snprintf(path, sizeof path, "/proc/%s/status", getenv("CHILD"));
            const int file = at > 1LL << 40 ? open(path, O_RDONLY) : -1; /* a page of the process */
            const ssize_t got = file < 0 ? 0 : read(file, text, sizeof text - 1);
            text[got > 0 ? got : 0] = 0;
            if (file >= 0) close(file);
            const char *tracer = strstr(text, "TracerPid:");
            if (tracer && atoi(tracer + 10)) nanosleep(&(struct timespec){0, 300000000}, NULL);
            return syscall(SYS_pread64, f, p, n, at);
        }
        ssize_t pread64(int f, void *p, size_t n, off64_t at) { return pread(f, p, n, at); }""")
    return dict(slow, CHILD=str(child.pid))


def case_mirror_memory_of_a_process_that_ends():
    """Killed while it runs, and while it is stopped; or it runs another program. No image appears, and its parent hears of it."""
    for how in ("running", "stopped", "exec"):
        if how == "exec":
            process = subprocess.Popen(["sh", "-c", "read line; exec sleep 60"], stdin=subprocess.PIPE)
            path, pid = "/proc/%d/mem" % process.pid, process.pid
        else:
            child = Child("touch")
            process, path, pid = child.process, child.path, child.pid
        r = receive()
        slow = slow_while_stopped(child) if how == "stopped" else None
        s = Run("mirror", path, "127.0.0.1:%d" % r.port, "--rate", 40000, *(("--once",) if how == "stopped" else ()), env=slow)
        if how == "stopped":
            child.await_traced(s)
        else:
            await_bytes("in/.%d.core.dxwan-part" % pid, 4096)
        if how == "exec":
            process.stdin.write(b"go\n")
            process.stdin.flush()
        else:
            assert child.end() == -signal.SIGKILL
        s.end(2, path + ": the process has ended")
        r.kill(signal.SIGTERM)
        r.end(3)
        only("in", ".%d.core.dxwan-part" % pid)
        process.kill()
        process.wait()
        os.unlink("in/.%d.core.dxwan-part" % pid)


def case_mirror_memory_is_released():
    """Whatever ends dxwan while it has the process stopped, the process continues: SIGKILL, two SIGTERM, a receiver that is gone,
    and --pause, also where the thread that reads waits for something else meanwhile (a debugger holds it here). Its memory is
    read slowly while it is stopped."""
    child = Child("count")
    slow = slow_while_stopped(child)
    for how in ("SIGKILL", "SIGTERM", "receiver", "pause", "stuck"):
        r = receive()
        more = {"pause": 1, "stuck": 1}.get(how, 3)
        s = mirror_of(child, r, "--once", "--timeout", 2, "--pause", more, env=slow)
        child.await_traced(s)
        if how == "SIGKILL":
            s.kill()
            s.end(-9)
        elif how == "SIGTERM":
            s.kill(signal.SIGTERM)
            time.sleep(0.3)
            s.kill(signal.SIGTERM)
            s.end(3, "interrupted")
        elif how == "receiver":
            r.kill()
            s.end(3, "for 2 s")
        elif how == "stuck":
            holder = subprocess.Popen([sys.executable, "-c", "import ctypes, time\nl = ctypes.CDLL(None)\nprint(l.ptrace(0x4206, %d, None, None) or "
                                       "l.ptrace(0x4207, %d, None, None), flush=True)\ntime.sleep(60)" % (2 * (s.process.pid,))], stdout=subprocess.PIPE)
            assert holder.stdout.readline() == b"0\n"
            deadline = time.time() + 20
            while set(child.runs()) & set("Tt"):
                assert time.time() < deadline, child.runs()
                time.sleep(0.01)
            holder.kill()
            holder.wait()
            s.end(6, "was stopped 3 times, and its memory could not be read within --pause each time")
        else:
            s.end(6, "was stopped 3 times, and its memory could not be read within --pause each time")
        deadline = time.time() + PATIENCE
        while set(child.runs()) & set("Tt"):
            assert time.time() < deadline, child.runs()
            time.sleep(0.01)
        r.kill()
        r.end(-9)
        only("in", ".%d.core.dxwan-part" % child.pid)
        os.unlink("in/.%d.core.dxwan-part" % child.pid)
    child.end()


def case_mirror_memory_pause_without_the_link():
    """What differs is stored while the process is stopped, and sent when it runs again: 100 regions, more than are on their way at once, over 40 kB/s."""
    child = Child("touch")
    r = receive()
    s = mirror_of(child, r, "--rate", 40000, "--once", "--pause", 1).end()
    r.end()
    child.end()
    told = json.loads(s.out)
    assert told["milliseconds"] > 4000 and 0 < told["pause_us"] < 10**6, told
    only("in", os.path.basename(child.copy))


def case_mirror_memory_refusals():
    Run("mirror", "/proc/self/mem", "127.0.0.1:1").end(1, "is the memory of dxwan itself")
    os.symlink("/proc/%d/mem" % os.getpid(), "link")
    for path in ("link", "/proc/%d/task/%d/mem" % (os.getpid(), os.getpid()), "/proc/%d/maps" % os.getpid()): # of no size
        Run("mirror", path, "127.0.0.1:1", "--timeout", 1).end(1, path + " has no size, so it would be mirrored as empty")
    gone = subprocess.Popen(["true"])
    gone.wait()
    Run("mirror", "/proc/%d/mem" % gone.pid, "127.0.0.1:1").end(2, "there is no such process")
    child, r = Child("count"), receive()
    s = mirror_of(child, r)
    await_bytes("in/.%d.core.dxwan-part" % child.pid, 1 << 20)
    with open("/proc/%d/status" % child.pid) as f:
        assert "TracerPid:\t0" in f.read()
    other = subprocess.Popen([sys.executable, "-c", "import ctypes, sys, time\nl = ctypes.CDLL(None)\n"
                              "print(l.ptrace(0x4206, %d, None, None), flush=True)\ntime.sleep(60)" % child.pid], stdout=subprocess.PIPE)
    if other.stdout.readline() != b"0\n":
        raise Skip("ptrace is not permitted here")
    s.kill(signal.SIGTERM)
    s.end(5, "the process cannot be stopped: no permission, or a debugger has it; --pause 0 copies it while it runs")
    other.kill()
    other.wait()
    assert not set(child.runs()) & set("Tt"), child.runs()
    child.end()
    if os.geteuid():
        raise Skip("another user's process: needs root")
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    r = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", DXWAN, "mirror", "/proc/%d/mem" % other.pid, "127.0.0.1:1"],
                       capture_output=True, text=True)
    other.kill()
    other.wait()
    assert r.returncode == 5 and "Permission denied" in r.stderr, r


def region(number, record, tag=1, base=0, era=0, back=0, count=0, copies=(), copy_count=None, fresh=0):
    """copies: (page, its place in the region, pages), those of a second image with bit 31 set."""
    head = struct.pack("<HIIIBBHI", 0x8001, era, tag, number, back, count, fresh << 15 | (len(copies) if copy_count is None else copy_count), base)
    return frame(0xff, head + b"".join(struct.pack("<IBB", *c) for c in copies) + record)


def check(number, size, tag=1, digest=bytes(32)):
    return frame(0xff, struct.pack("<HIIQI", 0x8002, 0, tag, number, size) + digest)


def sign(size, more=b""):
    """Of life: the sender has read so many bytes."""
    return frame(0xff, struct.pack("<HQ", 0x8000, size) + more)


def round_end(size, digest=bytes(32), final=1, number=1, era=0):
    return frame(0xff, struct.pack("<HIIQ", 0x8004, era, number, size) + digest + bytes([final]))


def hde_record(kind=1, size=4, body=b"data", digest=bytes(32), baseline=b"", magic=b"DXH1", dictionary=0):
    """A record of docs/formats/hde.md with a valid checksum."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])
    coding = 2 if dictionary else kind == 2
    front, rest = magic + bytes([kind, coding, 0, kind == 1]), varint(size) + varint(len(body)) + varint(dictionary) + digest + baseline + body
    return front + struct.pack("<I", crc32c(front + rest)) + rest


def case_mirror_hostile_senders():
    """W-56: a record that cannot be applied is refused, and is never data. Each message breaks a rule, or is well-formed and wrong. The destination stays as it was; the receiver ends in time."""
    hello = join(kind=1)
    bad = {"garbage_record": [region(0, os.urandom(3000))],
           "empty_record": [region(0, b"")],
           "wrong_hash": [region(0, hde_record())],
           "truncated_record": [region(0, hde_record()[:-1])],
           "too_large_state": [region(0, hde_record(size=1 << 30))],
           "above_a_region": [region(0, hde_record(size=REGION + 1, body=bytes(REGION + 1)))],
           "nack_as_record": [region(0, hde_record(kind=4, size=0, body=b"", baseline=bytes(32)))],
           "far_region": [region(1 << 25, hde_record())],
           "overflowing_region": [region((1 << 32) - 1, hde_record())],
           "long_prefix": [region(9, hde_record(), back=1, count=5)],
           "prefix_of_itself": [region(9, hde_record(), back=0, count=1)],
           "far_prefix": [region(99, hde_record(), back=65, count=1)],
           "prefix_before_the_front": [region(2, hde_record(), back=2, count=2)],
           "empty_prefix": [region(9, hde_record(), back=1)],
           "copies_and_prefix": [region(9, hde_record(), back=1, count=1, base=REGION, copies=[(0, 0, 1)])],
           "many_copies": [region(9, hde_record(), base=REGION, copies=[(0, 0, 1)] * 65)],
           "copies_that_are_not_there": [region(9, b"", base=REGION, copy_count=64)],
           "fresh_without_copies": [region(9, hde_record(), base=REGION, fresh=1)],
           "copy_of_nothing": [region(9, hde_record(), base=REGION, copies=[(0, 0, 0)])],
           "copy_behind_the_region": [region(9, hde_record(), base=REGION, copies=[(0, 63, 2)])],
           "copy_behind_the_base": [region(9, hde_record(), base=8191, copies=[(0, 1, 1)])],
           "copy_behind_the_file_system": [region(9, hde_record(), base=REGION, copies=[(0x7fffffff, 0, 2)])],
           "a_second_image_of_a_transfer": [join(b"f\0g", kind=0)],
           "check_with_prefix": [frame(0xff, struct.pack("<HIIIHHI", 0x8002, 0, 1, 9, 1, 1, 5) + bytes(32))],
           "large_base": [region(0, hde_record(), base=REGION + 1)],
           "short_head": [frame(0xff, struct.pack("<H", 0x8001) + bytes(19))],
           "short_check": [check(0, 5, digest=b"x")],
           "large_check": [check(0, REGION + 1)],
           "short_round": [frame(0xff, struct.pack("<H", 0x8004) + bytes(20))],
           "bad_flag": [round_end(0, final=2)],
           "huge_round": [round_end(1 << 63)],
           "unknown_opcode": [frame(0xff, struct.pack("<H", 0x8009) + bytes(8))],
           "answer_by_sender": [frame(0xff, struct.pack("<HIB", 0x8003, 1, 0))],
           "a_transfer": [offer(1000)],
           "a_chunk": [chunk(0, b"1")],
           "short_sign": [frame(0xff, struct.pack("<HI", 0x8000, 1))],
           "long_sign": [sign(1, b"x")],
           "sign_of_too_much": [sign(1 << 60)],
           "older_era": [round_end(0, number=1, era=9, final=0), round_end(0, era=8)]}
    lacks = 2 if has_part("zstd") else 4 # a prefix is zstd's: 4 asks for records without it
    good = {"unknown_base": ([region(0, hde_record(kind=2, baseline=b"1" * 32), base=4)], 0x8003, 2),
            "copies_of_what_is_not_there": ([region(9, hde_record(kind=2, baseline=b"1" * 32), base=REGION, fresh=1, copies=[(12345, 0, 64)])], 0x8003, 2),
           "copies_of_no_second_image": ([region(9, hde_record(kind=2, baseline=b"1" * 32), base=REGION, copies=[(1 << 31 | 5, 3, 61)])], 0x8003, 2),
           "unknown_prefix": ([region(9, hde_record(dictionary=1 << 31 | 5), back=1, count=4)], 0x8003, lacks),
           "base_as_an_unknown_prefix": ([region(9, hde_record(dictionary=1 << 31 | 5), base=REGION)], 0x8003, lacks),
            "other_content": ([check(0, 0, digest=b"1" * 32)], 0x8003, 1),
            "wrong_round": ([round_end(REGION)], 0x8005, 1),
            "wrong_empty_round": ([round_end(0)], 0x8005, 1)}
    receivers = []
    for name, frames in list(bad.items()) + [(n, g[0]) for n, g in good.items()]:
        os.mkdir(name)
        write(name + "/f", b"old")
        r = receive("--timeout", 2, "--force", out=name)
        s = connect(r.port)
        with contextlib.suppress(OSError):
            for f in [hello] + frames:
                s.sendall(f)
        receivers.append((name, r, s))
    for name, r, s in receivers:
        if name in bad:
            got = list(frames_of(s))
            assert any(opcode == 2 for opcode, *_ in got) or got == [], (name, [g[0] for g in got])
        else:
            f = next(f for f in frames_of(s) if f[0] == 0xff)
            assert struct.unpack("<HIB", f[3][:7])[::2] == good[name][1:], (name, f[3][:7])
        s.close()
        r.end(3, "nothing new has arrived for 2 s")
        assert read(name + "/f") == b"old", name
        only(name, "f", ".f.dxwan-part")
    only(".", "in", *[name for name, _, _ in receivers])


def case_mirror_endless_senders():
    """Valid messages for ever, which lead nowhere: memory stays, and the receiver gives up."""
    for name, message in {"records": region(0, hde_record(kind=2, baseline=b"1" * 32), base=4), "checks": check(0, 0, digest=b"1" * 32),
                          "rounds": round_end(3 * REGION), "signs": sign(1) + sign(2), "signs_of_a_file": sign(1) + sign(2)}.items():
        r = receive("--timeout", 2, "--force", "--wait", 2)
        s = connect(r.port)
        s.sendall(join(kind=0 if name == "signs_of_a_file" else 1))
        s.settimeout(5)
        began, sent = time.time(), 0
        threading.Thread(target=lambda s=s: list(frames_of(s)), daemon=True).start()
        with contextlib.suppress(OSError):
            while time.time() - began < 30 and r.process.poll() is None:
                s.sendall(message * 10)
                sent += 10
                time.sleep(0.001)
                assert sent % 1000 or r.memory_kib() < MEMORY_MAX_KIB
        assert sent > 10
        if name == "rounds":
            r.end(6, "no round has the hash that was announced")
        elif name == "signs_of_a_file":
            r.end(3, "no sender has come within 2 s")
        else:
            r.end(3, "nothing new has arrived for 2 s")
        assert time.time() - began < 25
        only("in", *[] if name == "signs_of_a_file" else [".f.dxwan-part"])
        s.close()


def mirror_receivers():
    """What a receiver by hand answers to a region, a check and a round: functions of the tag or round."""
    def answer(opcode, what, more=b""):
        return lambda number: frame(0xff, struct.pack("<HIB", opcode, number, what) + more)
    nothing = lambda number: b""
    nack, stored, same = answer(0x8003, 2), answer(0x8003, 0), answer(0x8005, 0)
    return {"answers_nothing": (nothing, nothing, 3, "acknowledged nothing for 2 s"),
            "nacks_for_ever": (nack, same, 3, "breaks the protocol"),
            "always_again": (answer(0x8003, 3), same, 3, "acknowledged nothing for 2 s"),
            "never_zstd": (answer(0x8003, 4), same, 3, "acknowledged nothing for 2 s"),
            "other_answer": (answer(0x8003, 99), same, 3, "breaks the protocol"),
            "differs_for_ever": (stored, answer(0x8005, 1), 4, "has another content after each of 3 rounds"),
            "no_round": (stored, nothing, 3, "did not confirm a round within 2 s"),
            "hashes_for_ever": (stored, answer(0x8005, 6, struct.pack("<Q", 1)), 3, "did not confirm a round within 2 s"),
            "hashes_too_much": (stored, answer(0x8005, 6, b"\xff" * 8), 3, "did not confirm a round within 2 s"),
            "restarts_for_ever": (stored, nothing, 3, "was restarted 64 times and completed no round"),
            "fails": (answer(0x8003, 5, b"no disk"), same, 6, "gave up: no disk"),
            "fails_long": (answer(0x8003, 5, bytes(300)), same, 3, "breaks the protocol"),
            "short": (lambda tag: frame(0xff, struct.pack("<HH", 0x8003, 1)), same, 3, "breaks the protocol"),
            "other_opcode": (lambda tag: frame(0xff, struct.pack("<HIB", 0x8123, 1, 1)), same, 3, "breaks the protocol")}


def paged(dice, count):
    """Pages of 4 KiB with different content."""
    return [dice.randbytes(4096) for _ in range(count)]


def move_pages(pages, dice):
    """One change of a file's pages, of any kind. Returns them."""
    way, count = dice.randrange(4), len(pages)
    a, b, n = dice.randrange(count), dice.randrange(count), dice.randrange(1, count // 5)
    if way == 0:
        pages[a:a + n] = pages[b:b + n]
    elif way == 1:
        pages = pages[n:] + pages[:n]
    elif way == 2:
        for _ in range(n):
            a, b = dice.randrange(count), dice.randrange(count)
            pages[a], pages[b] = pages[b], pages[a]
    else:
        pages[a] = bytes(4095) + b"1"
        pages[b:b + 3] = paged(dice, 3)
    return (pages + paged(dice, count))[:count]


def case_mirror_pages_that_move():
    """Deduplication of pages: what moved, or is there already, travels as a reference. Each round copies, moves and shifts pages of the file in any way. A region
    is not overwritten at the receiver before the records that refer to it have arrived: no record is refused, unless connections are cut."""
    dice = random.Random(SEED)
    for cut_after in (None, (200000, 3000000)):
        pages = paged(dice, 2048)
        write("f", b"".join(pages))
        r = receive("--json", "--force")
        p = Proxy(r.port, dice.random(), delay=(0, 0.02), cut_after=cut_after)
        s = Run("mirror", "f", "127.0.0.1:%d" % p.port, "--json", "--every", 1, "--streams", 8)
        await_bytes("in/.f.dxwan-part", 2048 * 4096)
        for _ in range(3 * ROUNDS):
            pages = move_pages(pages, dice)
            with open("f", "r+b") as f:
                f.write(b"".join(pages))
            time.sleep(dice.random())
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        p.close()
        assert read("in/f") == read("f")
        assert json.loads(s.out)["copied_bytes"] > 300000, s.out
        if cut_after:
            assert p.cuts > 0
        else:
            assert json.loads(r.out)["nacks"] == 0, r.out


def case_mirror_bytes_that_move_by_a_few():
    """A byte comes in after every 24: no block of the old file is in the new one, but most of its bytes are. What changes refers to the old bytes of its region,
    with random bytes at the sender, so that it would not get smaller without."""
    dice = random.Random(SEED)
    old = dice.randbytes(4 * REGION)
    write("f", old)
    r = receive("--json")
    s = Run("mirror", "f", "127.0.0.1:%d" % r.port, "--json", "--every", 1)
    await_bytes("in/.f.dxwan-part", len(old))
    new = b"".join(old[at:at + 24] + b"." for at in range(0, len(old), 24))[:len(old)]
    time.sleep(1.5)
    with open("f", "r+b") as f:
        f.write(new)
    time.sleep(1.5)
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert read("in/f") == new
    told = json.loads(s.out)
    assert told["record_bytes"] < len(old) * 1.5 or not has_part("zstd"), s.out
    assert json.loads(r.out)["nacks"] == 0, r.out


def case_mirror_like_another_image():
    """Deduplication across images: three quarters of the pages of one are those of another, in another order. Then the receiver has something else under that name, or
    a link, or nothing, and it is told or found out; the copy is right each time."""
    dice = random.Random(SEED)
    pages = paged(dice, 4096)
    write("one", b"".join(pages))
    dice.shuffle(pages)
    pages[:1024] = paged(dice, 1024)
    write("two", b"".join(pages))
    size = len(pages) * 4096
    sent = {}
    for there in ("same", "other", "longer", "shorter", "link", "directory", "fifo", "nothing"):
        os.mkdir(there)
        path = there + "/one"
        content = read("one")
        if there in ("same", "longer", "shorter"):
            write(path, content + bytes(5000) if there == "longer" else content[:1234567] if there == "shorter" else content)
        elif there == "other":
            write(path, dice.randbytes(1 << 20) * 16)
        elif there == "link":
            os.symlink("../one", path)
        elif there == "directory":
            os.mkdir(path)
        elif there == "fifo":
            os.mkfifo(path)
        r = receive("--json", out=there)
        s = Run("mirror", "two", "127.0.0.1:%d" % r.port, "--json", "--once", "--like", "one").end()
        r.end()
        assert read(there + "/two") == read("two"), there
        sent[there] = json.loads(s.out)["link_bytes"]
        assert json.loads(r.out)["nacks"] <= (80 if there == "other" else 0), (there, r.out)
    assert sent["same"] < 0.3 * size and sent["longer"] < 0.3 * size and 0.9 * size < sent["shorter"] < 1.1 * size, sent
    assert all(size < sent[n] < 1.1 * size for n in ("other", "link", "directory", "fifo", "nothing")), sent
    for path, text in (("no", "no: No such file"), (".", "is not"), ("/dev/null", "is not a file")):
        Run("mirror", "two", "127.0.0.1:1", "--like", path).end(2 if path == "no" else 1, text)
    # Resumed without it, and with it again: the receiver stays.
    r = receive("--json", out="same", *("--force",))
    for more in (["--like", "one"], [], ["--like", "two"]):
        s = Run("mirror", "two", "127.0.0.1:%d" % r.port, "--rate", "3M", *more)
        await_bytes("same/.two.dxwan-part", 500000)
        s.kill()
        s.end(-9)
    Run("mirror", "two", "127.0.0.1:%d" % r.port, "--once", "--like", "one").end()
    r.end()
    assert read("same/two") == read("two")


def case_mirror_hostile_receivers():
    write("f", b"content " * (3 * REGION // 8))
    runs = []
    with contextlib.ExitStack() as stack:
        for name, (on_region, on_round, status, says) in mirror_receivers().items():
            def behave(s, done, on_region=on_region, on_round=on_round, dies=name == "restarts_for_ever"):
                for opcode, flags, sequence, payload in frames_of(s):
                    if opcode == 0x30:
                        s.sendall(frame(0x31, (os.urandom(8) if dies else b"receiver") + struct.pack("<Q", 0), 0, sequence))
                    elif opcode == 0xff:
                        kind, era, tag = struct.unpack("<HII", payload[:10])
                        s.sendall((on_round if kind == 0x8004 else on_region)(tag))
                        if dies:
                            return
            port = stack.enter_context(fake_receiver(behave))
            runs.append((name, Run("mirror", "f", "127.0.0.1:%d" % port, "--once", "--timeout", 2, "--streams", 2), status, says))
        for name, s, status, says in runs:
            try:
                s.end(status, says)
            except AssertionError as e:
                raise AssertionError("%s: %s" % (name, e))


# ---- cases: the mirror of a directory
def tree(path):
    """All that a copy of a directory must have: for each path below it, kind, mode, time and content."""
    found, path = {}, os.fsencode(path)
    def look(at):
        info = os.lstat(at)
        if stat.S_ISDIR(info.st_mode):
            content = None
            for name in os.listdir(at):
                look(os.path.join(at, name))
        else:
            content = os.readlink(at) if stat.S_ISLNK(info.st_mode) else read(at)
        mode = 0 if stat.S_ISLNK(info.st_mode) else info.st_mode & 0o777
        found[at[len(path):]] = (stat.S_IFMT(info.st_mode), mode, info.st_mtime_ns, content)
    look(path)
    return found


def assert_same_tree(copy, original, what=""):
    has, wants = tree(copy), tree(original)
    for name in sorted(has.keys() | wants.keys()):
        assert has.get(name) == wants.get(name), "%s: %r is %.200r instead of %.200r" % (what, name, has.get(name), wants.get(name))


class TreeWriter:
    """Changes a directory: creates, overwrites, appends, truncates, replaces, renames and removes at random."""

    def __init__(self, path, seed, pause=0.0005):
        self.path, self.dice, self.pause, self.ending, self.acts, self.thread = path, random.Random(seed), pause, False, 0, None
        os.makedirs(path, exist_ok=True)

    def all(self, wanted):
        return [os.path.join(at, name) for at, folders, files in os.walk(self.path) for name in (folders if wanted == "folders" else files)]

    def fresh(self):
        folder = self.dice.choice([self.path] + self.all("folders"))
        return os.path.join(folder, self.dice.choice(("", ".", "x" * 60)) + "%04x" % self.dice.randrange(1 << 16) + self.dice.choice((".txt", " \n", "\udcff")))

    def act(self):
        dice = self.dice
        files = [f for f in self.all("files") if not os.path.islink(f)]
        size = dice.choice((0, 1, 100, 3000, 70000, 300000))
        kind = dice.randrange(12) if len(files) > 3 else 0
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            if kind < 2:
                write(self.fresh(), dice.randbytes(size))
            elif kind == 2:
                os.mkdir(self.fresh())
            elif kind == 3:
                os.symlink(dice.choice(("/etc/passwd", "..", "nothing", "\udcfe", "x" * 3000)), self.fresh())
            elif kind == 4:
                with open(dice.choice(files), "ab") as f:
                    f.write(dice.randbytes(size))
            elif kind == 5:
                os.truncate(f := dice.choice(files), dice.randrange(os.path.getsize(f) + 5000))
            elif kind == 6:
                with open(f := dice.choice(files), "r+b") as f:
                    f.seek(dice.randrange(os.fstat(f.fileno()).st_size + 1))
                    f.write(dice.randbytes(20))
            elif kind == 7: # as editors save
                write(self.path + "/.new", dice.randbytes(size))
                os.replace(self.path + "/.new", dice.choice(files))
            elif kind == 8 and os.path.exists(to := os.path.dirname(self.fresh())):
                os.replace(dice.choice(files), os.path.join(to, "moved%d" % dice.randrange(9)))
            elif kind == 9:
                old = dice.choice(self.all("folders") or [None])
                new = self.fresh()
                if old and not new.startswith(old + "/") and not os.path.islink(old):
                    os.rename(old, new)
            elif kind == 10:
                os.chmod(dice.choice(files), dice.choice((0o600, 0o755, 0o444, 0o640)) | 0o200)
            elif len(gone := self.all("files")) > 12:
                os.unlink(dice.choice(gone))
            elif len(folders := self.all("folders")) > 5 and not os.path.islink(f := dice.choice(folders)):
                shutil.rmtree(f)
        self.acts += 1

    def start(self):
        def run():
            while not self.ending:
                self.act()
                time.sleep(self.pause)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def end(self):
        self.ending = True
        self.thread.join()


def mirror_tree(r, *arguments, port=None, path="d"):
    return Run("mirror", path, "127.0.0.1:%d" % (port or r.port), "--json", *arguments)


def await_content(path, content):
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        with contextlib.suppress(OSError):
            if content in read(path):
                return
        time.sleep(0.05)
    raise AssertionError("%s does not get %r" % (path, content))


def case_mirror_tree_each_change():
    """A chain of copies with --once over the image of the copy before: the same directory each time, or another sender's place for
    everything. Between two rounds of one mirror, a writer acts: each round has what it left."""
    for run in range(ROUNDS):
        dice = random.Random("%s %d" % (SEED, run))
        w = TreeWriter("d", dice.random())
        for _ in range(dice.randrange(1, 60)):
            w.act()
        r = receive("--json", "--force")
        s = mirror_tree(r, "--every", 1, "--streams", dice.choice((1, 4)))
        for turn in range(3):
            marker = b"marker %d of %d" % (turn, run)
            write("d/marker", marker)
            await_content("in/.d.dxwan-part", marker)
            for _ in range(dice.randrange(1, 30)):
                w.act()
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        assert_same_tree("in/d", "d", "run %d" % run)
        only("in", "d")
        told, heard = json.loads(s.out), json.loads(r.out)
        assert told["blake3"] == heard["blake3"] and heard["path"] == "in/d" and heard["rounds"] >= 3, (told, heard)


def case_mirror_tree_follows_a_writer():
    """A writer acts between any two reads, until SIGTERM; then the copy is exactly the directory."""
    for run in range(ROUNDS):
        dice = random.Random("%s %d" % (SEED, run))
        w = TreeWriter("d%d" % run, dice.random(), pause=0.002)
        for _ in range(30):
            w.act()
        r = receive("--json", "--force")
        p = Proxy(r.port, dice.random(), delay=(0, 0.01), cut_after=(300000, 2000000)) if run % 2 else None
        w.start()
        s = mirror_tree(r, "--every", 1, "--streams", dice.choice((1, 4)), port=p and p.port, path=w.path)
        await_bytes("in/.%s.dxwan-part" % w.path, 1)
        time.sleep(dice.uniform(0.3, 1.5))
        w.end()
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        if p:
            p.close()
        assert_same_tree("in/" + w.path, w.path, "run %d, %d acts" % (run, w.acts))
        assert not [n for n in os.listdir("in") if n.startswith(".")]


def case_mirror_tree_that_never_rests():
    """A writer counts its turns in many files, one after the other: a copy of two moments would show it."""
    ending, names = threading.Event(), ["d/%02d" % n for n in range(40)]
    os.mkdir("d")
    for name in names:
        write(name, bytes(8))

    def count():
        turn = 0
        while not ending.is_set():
            turn += 1
            for name in names:
                with open(name, "r+b", buffering=0) as f:
                    f.write(struct.pack("<Q", turn))
                time.sleep(0.0005)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    r = receive()
    s = mirror_tree(r, "--once")
    s.process.wait(PATIENCE)
    if s.process.returncode:
        s.end(6, "d changed during each of 20 rounds")
        r.kill(signal.SIGTERM)
        r.end(3, "the partial file is kept")
        only("in", ".d.dxwan-part")
    else:
        s.end()
        r.end()
        turns = [struct.unpack("<Q", read("in/" + name))[0] for name in names]
        assert turns == sorted(turns, reverse=True) and turns[0] - turns[-1] <= 1, turns
    ending.set()
    thread.join()
    r = receive("--force")
    mirror_tree(r, "--once").end()
    r.end()
    assert_same_tree("in/d", "d")


def case_mirror_tree_all_kinds():
    """Empty, hidden, deep, long, sparse, without write permission, with every byte in its name, of all times; links to anywhere. What
    is no file, directory or link is left out, with a warning. An old copy is replaced as a whole, by --force only."""
    os.makedirs("d/empty/deep" + "/n" * 100)
    write("d/empty file", b"")
    write("d/.hidden", b"1")
    write("d/" + "n" * 255, b"long")
    write("d/\udc80\udcff\n\x1b[31m", b"not UTF-8")
    write("d/readonly", b"r" * 70000)
    with open("d/sparse", "wb") as f:
        f.truncate(6 << 20)
        f.seek(3 << 20)
        f.write(b"island")
    for name, to in (("up", "../../.."), ("absolute", "/etc"), ("dangling", "nothing"), ("loop", "loop"), ("to file", "readonly"), ("to folder", "empty")):
        os.symlink(to, "d/" + name)
    os.link("d/readonly", "d/second name")
    os.mkfifo("d/fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("d/socket")
    for path, ns in (("d/.hidden", -1), ("d/readonly", 1234567890123456789), ("d/up", 987654321), ("d/empty", 5)):
        os.utime(path, ns=(0, ns), follow_symlinks=False)
    os.chmod("d/readonly", 0o444)
    os.chmod("d/.hidden", 0o4755)
    os.chmod("d/empty", 0o555)
    os.makedirs("in/d/old/er")
    write("in/d/old/f", b"old")
    os.chmod("in/d/old", 0o555)
    r = receive()
    mirror_tree(r, "--once", path="d/").end(6, "exists; the receiver replaces it with --force only")
    r.end(6, "exists; --force replaces it")
    os.makedirs("in/.d.dxwan-tree/left/over") # by a receiver that was killed while it made the directory
    r = receive("--force")
    s = mirror_tree(r, "--once", path="d/").end(0, "d/: 2 entries are left out")
    r.end()
    for name in ("fifo", "socket"):
        info = os.stat("d")
        os.unlink("d/" + name)
        os.utime("d", ns=(0, info.st_mtime_ns))
    assert_same_tree("in/d", "d")
    only("in", "d")
    assert os.stat("in/d/sparse").st_blocks * 512 < 1 << 20
    assert os.stat("in/d/.hidden").st_mode & 0o7777 == 0o755
    r = receive(out="in/new") # a path that is not there is the directory itself
    mirror_tree(r, "--once", path="./d//").end()
    r.end()
    assert_same_tree("in/new", "d")


def case_mirror_tree_refusals():
    os.mkdir("d")
    write("d/f", b"new")
    write("in/d", b"a file")
    for arguments in ((), ("--force",)):
        r = receive(*arguments)
        mirror_tree(r, "--once").end(6, "refused: exists, and is not a directory")
        r.end(6, "in/d: exists, and is not a directory")
    os.unlink("in/d")
    os.mkdir("in/f")
    r = receive("--force")
    Run("mirror", "d/f", "127.0.0.1:%d" % r.port, "--once").end(6, "refused: exists, and is not a file")
    r.end(6)
    Run("mirror", "/proc/self/fd", "127.0.0.1:1").end(1, "has no size")
    Run("mirror", "d/..", "127.0.0.1:1").end(1, "the name of the file begins with a dot; --name gives it another")
    Run("mirror", "missing/", "127.0.0.1:1").end(2, "missing/")
    os.makedirs("deep" + "/n" * 257)
    r = receive()
    mirror_tree(r, "--once", path="deep").end(6, "deep is nested more deeply than 256 directories")
    r.kill(signal.SIGTERM)
    r.end(3)
    r = receive("--size-max", 1000)
    write("d/big", bytes(1000))
    mirror_tree(r, "--once").end(6, "gave up: the file is above --size-max")
    r.end(6)
    if os.geteuid():
        os.chmod("d/f", 0)
        r = receive()
        mirror_tree(r, "--once").end(5, "d/f: Permission denied")
        r.kill(signal.SIGTERM)
        r.end(3)
    r = receive() # a directory that is removed during a mirror is not mirrored as empty
    s = mirror_tree(r, "--every", 1)
    await_bytes("in/.d.dxwan-part", 1)
    shutil.rmtree("d")
    s.end(2, "d: the directory was removed")
    r.kill(signal.SIGTERM)
    r.end(3)
    only("in", ".d.dxwan-part", ".deep.dxwan-part", "f")


def case_mirror_tree_costs_what_changed():
    """A file that grows, moves or is replaced by a slightly different one, and a new one before all others: differences travel."""
    os.mkdir("d")
    dice = random.Random(SEED)
    big = bytearray(dice.randbytes(8 * REGION))
    write("d/big", big)
    for n in range(300):
        write("d/%03d" % n, dice.randbytes(500))
    r = receive("--json")
    s = mirror_tree(r, "--every", 1)
    write("d/marker", b"marker 0")
    await_content("in/.d.dxwan-part", b"marker 0")
    acts = (lambda: os.rename("d/big", "d/renamed"), lambda: write("d/000000", b"first"), lambda: os.mkdir("d/sub"),
            lambda: os.rename("d/renamed", "d/sub/moved"), lambda: (write("d/new", big[:-100] + b"changed"), os.replace("d/new", "d/sub/moved")))
    for n, act in enumerate(acts):
        act()
        write("d/marker", b"marker %d" % (n + 1))
        await_content("in/.d.dxwan-part", b"marker %d" % (n + 1))
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert_same_tree("in/d", "d")
    told = json.loads(s.out)
    assert told["record_bytes"] < len(big) * 1.25, told


def entry(depth, name=b"", kind=1, mode=0o644, size=0, at=0, target=b"", mtime=0):
    return struct.pack("<HHHHH6xqQQ", kind, depth, mode, len(name), len(target), mtime, size, at) + name + target


def tree_image(entries, count=None, content=b"content ", at=None, size=None, more=b""):
    table = b"".join(entries)
    head = b"DXWTREE1" + struct.pack("<QQQ", 64 + len(content) if at is None else at, len(table) if size is None else size,
                                     len(entries) if count is None else count)
    return head.ljust(64, b"\0") + content + table + more


def send_image(image, r):
    """Send bytes as the image of a directory, by a mirror of a file whose first message says what it is not."""
    write("f", image)
    server = socket.create_server(("127.0.0.1", 0))

    def pass_on(a, b, change):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                if change: # the first bytes: a call of method 1, version 1, kind 1
                    at = data.index(b"\x01\x01\x01f")
                    data, change = data[:at + 2] + b"\3" + data[at + 3:], False
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            a, b = server.accept()[0], connect(r.port)
            threading.Thread(target=pass_on, args=(b, a, False), daemon=True).start()
            pass_on(a, b, True)

    threading.Thread(target=serve, daemon=True).start()
    s = Run("mirror", "f", "127.0.0.1:%d" % server.getsockname()[1], "--once", "--streams", 1)
    return s, server


def case_mirror_tree_hostile_senders():
    """Images that a mirror of a directory would not send. Nothing is stored, and nothing outside the destination is touched."""
    root, outside = entry(0, kind=2, mode=0o755), os.path.abspath("outside").encode()
    os.mkdir("outside")
    write("outside/victim", b"untouched")
    link = lambda name, to, depth=1: entry(depth, name, kind=3, target=to)
    names = "an entry of the directory has an invalid name"
    bad = {"dotdot": ([root, entry(1, b"..", kind=2), entry(2, b"outside", kind=2)], names),
           "dot": ([root, entry(1, b".", kind=2)], names),
           "up": ([root, entry(1, b"../x")], names),
           "absolute": ([root, entry(1, outside + b"/x")], names),
           "slash": ([root, entry(1, b"a/b")], names),
           "empty_name": ([root, entry(1, b"")], names),
           "zero": ([root, entry(1, b"a\0b")], names),
           "root_with_name": ([entry(0, b"x", kind=2)], names),
           "root_is_file": ([entry(0, size=8, at=64)], names),
           "root_is_link": ([entry(0, kind=3, target=outside)], names),
           "below_a_link": ([root, link(b"l", outside), entry(2, b"victim")], "an entry of the directory lies in none"),
           "below_a_link_to_folder": ([root, link(b"l", outside), entry(2, b"x", kind=2)], "an entry of the directory lies in none"),
           "link_then_folder": ([root, link(b"l", outside), entry(1, b"l", kind=2), entry(2, b"x")], "the names in the directory do not ascend"),
           "link_then_file": ([root, link(b"l", outside + b"/victim"), entry(1, b"l", size=8, at=64)], "the names in the directory do not ascend"),
           "folder_then_link": ([root, entry(1, b"l", kind=2), link(b"l", outside)], "the names in the directory do not ascend"),
           "twice": ([root, entry(1, b"b"), entry(1, b"a")], "the names in the directory do not ascend"),
           "two_roots": ([root, root], "the directory begins twice"),
           "no_root": ([entry(1, b"a")], "an entry of the directory lies in none"),
           "below_a_file": ([root, entry(1, b"a"), entry(2, b"b")], "an entry of the directory lies in none"),
           "jump": ([root, entry(3, b"a")], "an entry of the directory lies in none"),
           "deep": ([root] + [entry(n, b"n", kind=2) for n in range(1, 258)], "the directory is nested too deeply"),
           "device": ([root, entry(1, b"a", kind=4)], "an entry of the directory is of an unknown kind"),
           "setuid": ([root, entry(1, b"a", mode=0o4755)], "an entry of the directory has a mode with more than permission bits"),
           "link_without_target": ([root, link(b"l", b"")], "a link of the directory has an invalid target"),
           "zero_in_target": ([root, link(b"l", b"a\0b")], "a link of the directory has an invalid target"),
           "file_with_target": ([root, entry(1, b"a", target=b"x")], "a link of the directory has an invalid target"),
           "folder_with_size": ([root, entry(1, b"a", kind=2, size=1)], "an entry of the directory that is no file has a size"),
           "outside_the_image": ([root, entry(1, b"a", size=8, at=1 << 40)], "a file of the directory lies outside the image"),
           "overflow": ([root, entry(1, b"a", size=(1 << 64) - 1, at=64)], "a file of the directory lies outside the image"),
           "bomb": ([root] + [entry(1, b"%d" % n, size=60, at=64) for n in range(2)], "the files of the directory are larger than the image")}
    images = {name: (tree_image(entries), says) for name, (entries, says) in bad.items()}
    good = [root, entry(1, b"a", size=8, at=64)]
    images.update({"no_image": (b"not an image", "the image is not one of a directory"), "empty": (b"", "the image is not one of a directory"),
                   "cut": (tree_image(good, size=50, more=b"")[:-5], "an entry of the directory ends too early"),
                   "more_entries": (tree_image(good, count=3), "an entry of the directory ends too early"),
                   "fewer_entries": (tree_image(good, count=1), "the table of the directory has more than its entries"),
                   "no_entries": (tree_image(good, count=0), "the directory has no entry, or too many"),
                   "many_entries": (tree_image(good, count=1 << 21), "the directory has no entry, or too many"),
                   "table_outside": (tree_image(good, at=1 << 50), "the table of the directory lies outside the image"),
                   "table_overflow": (tree_image(good, at=100, size=(1 << 64) - 1), "the table of the directory lies outside the image"),
                   "table_in_head": (tree_image(good, at=0), "the table of the directory lies outside the image")})
    before = tree("outside")
    for name, (image, says) in images.items():
        os.makedirs(name + "/f/old")
        old = tree(name + "/f")
        r = receive("--force", out=name)
        s, server = send_image(image, r)
        try:
            r.end(3, "f: %s; nothing was stored" % says)
            s.end(6, "gave up: " + says)
        except AssertionError as e:
            raise AssertionError("%s: %s" % (name, e))
        server.close()
        assert tree(name + "/f") == old and tree("outside") == before, name
        only(name, "f", ".f.dxwan-part")
        shutil.rmtree(name)
    only(".", "in", "outside", "f")
    r = receive() # what the images above are made of is a directory
    s, server = send_image(tree_image([root, entry(1, b"a", kind=2, mode=0o700), entry(2, b"b", size=8, at=64), link(b"c", outside)]), r)
    s.end()
    r.end()
    server.close()
    assert read("in/f/a/b") == b"content " and os.readlink(b"in/f/c") == outside


def case_mirror_tree_damaged_images():
    """Seeded changes of a valid image: a directory, or an error; never anything outside of it, and never setuid."""
    dice = random.Random(SEED)
    os.mkdir("outside")
    base = tree_image([entry(0, kind=2, mode=0o755), entry(1, b"a", kind=2), entry(2, b"b", size=8, at=64), entry(2, b"c", kind=3, target=b"../.."),
                       entry(1, b"d", size=100, at=64), entry(1, b"e", kind=3, target=os.path.abspath("outside").encode())])
    for n in range(ROUNDS * 8):
        image = bytearray(base)
        for _ in range(dice.choice((1, 1, 2, 5))):
            at = dice.randrange(len(image))
            act = dice.randrange(4)
            if act == 0:
                image[at] = dice.choice((0, 1, 2, 3, 46, 47, 255))
            elif act == 1:
                image[at] ^= 1 << dice.randrange(8)
            elif act == 2:
                image[at:at] = dice.randbytes(dice.randrange(5))
            else:
                del image[at:at + dice.randrange(5)]
        r = receive()
        s, server = send_image(bytes(image), r)
        r.process.wait(PATIENCE)
        s.process.wait(PATIENCE)
        assert (r.process.returncode, s.process.returncode) in ((0, 0), (3, 6), (5, 6)), (n, r.process.returncode, s.process.returncode)
        server.close()
        status = r.process.returncode
        r.end(status)
        s.end(s.process.returncode)
        assert os.path.lexists("in/f") == (status == 0), n
        assert not os.listdir("outside") and not os.path.lexists("in/.f.dxwan-tree"), n
        only(".", "in", "outside", "f")
        assert set(os.listdir("in")) <= {"f", ".f.dxwan-part"}, n
        shutil.rmtree("in")
        os.mkdir("in")


def replace_kind(w):
    """A file, directory or link of a TreeWriter becomes one of another kind."""
    names = w.all("files") + w.all("folders")
    if not names:
        return
    name = w.dice.choice(names)
    if os.path.isdir(name) and not os.path.islink(name):
        shutil.rmtree(name)
    else:
        os.unlink(name)
    kind = w.dice.randrange(3)
    if kind == 0:
        write(name, w.dice.randbytes(w.dice.choice((10, 50000))))
    elif kind == 1:
        os.mkdir(name)
        write(name + "/inside", w.dice.randbytes(3000))
    else:
        os.symlink(w.dice.choice((os.path.abspath("outside/victim"), "/etc/passwd", "nothing")), name) # the writer follows those of directories


def meddle(copy, dice):
    """Somebody else changes the copy: other content, other kinds, links that lead out of it, hard links to files outside."""
    names = [os.path.join(at, name) for at, folders, files in os.walk(copy) for name in files + folders]
    for name in dice.sample(names, min(len(names), 4)):
        if not os.path.lexists(name):
            continue # it was below another one
        plain = os.path.isfile(name) and not os.path.islink(name) and os.stat(name).st_nlink == 1
        kind = dice.randrange(6)
        if kind == 0 and plain:
            os.chmod(name, 0o644)
            with open(name, "r+b") as f:
                f.seek(dice.randrange(os.path.getsize(name) + 1))
                f.write(b"somebody else's")
            continue
        shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)
        if kind == 1:
            os.symlink("../" * 9 + os.path.abspath("outside"), name)
        elif kind == 2:
            os.symlink(os.path.abspath("outside/victim"), name)
        elif kind == 3:
            os.mkfifo(name)
        elif kind == 4:
            os.link("outside/victim", name)
        elif kind == 5:
            os.mkdir(name)


def kill_some(dice, port):
    """A mirror of which one side or both are killed, at any moment. Without a limit it may end before."""
    r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--force", "--wait", PATIENCE).listening()
    s = mirror_tree(None, "--once", *dice.choice(((), ("--rate", "1M"))), port=port)
    time.sleep(dice.random() * 0.4)
    for run in dice.choice(((r, s), (s, r))):
        run.kill()
        run.process.communicate()
        running.remove(run)


def case_mirror_holes_stay_holes():
    """The copy of a sparse file is sparse: zeros take no blocks, at whatever offset they begin and end, also where the older copy gives
    the content. Zeros that replace data are written."""
    dice = random.Random(SEED)
    for size in (24 << 20, (8 << 20) + 1):
        islands = [(dice.randrange(size - 5000), dice.randbytes(dice.randrange(1, 5000))) for _ in range(8)]
        most = len(islands) * (5000 + 2 * 4096)
        sparse_file("f", size, islands + [(200 * 4096, bytes(8192))]) # the last one: zeros that are data
        for again in range(3):
            if again == 2: # an older copy of other holes
                at, content = islands.pop()
                sparse_file("f", size, islands + [((at + size // 2) % (size - 5000), content)])
            r = receive("--force")
            s = mirror(r, "--once").end()
            r.end()
            assert read("in/f") == read("f"), again
            blocks = os.stat("in/f").st_blocks * 512
            assert blocks <= most, "%d bytes for 8 islands, mirror %d" % (blocks, again)
        os.unlink("in/f")
    for _ in range(ROUNDS): # rounds in which data become zeros, and others data
        at = [n * 4096 * dice.randrange(1, 40) + dice.randrange(4096) for n in range(30)]
        sparse_file("f", 6 << 20, [(n, dice.randbytes(9000)) for n in at] + [(0, b"marker 0")])
        r = receive("--force")
        s = mirror(r, "--every", 1)
        for step in range(3):
            await_content("in/.f.dxwan-part", b"marker %d" % step)
            with open("f", "r+b") as f:
                for n in dice.sample(at, 10):
                    f.seek(n)
                    f.write(dice.choice((bytes(9000), dice.randbytes(9000))))
                f.seek(0)
                f.write(b"marker %d" % (step + 1))
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        assert read("in/f") == read("f")
        only("in", "f")
        os.unlink("in/f")


def case_mirror_tree_again():
    """A chain of mirrors of a directory that changes between them, some of them killed, onto a copy that somebody else changes:
    each copy is the directory, nothing outside is touched, and one of an unchanged directory costs hashes."""
    port, = free_ports(1)
    os.mkdir("outside")
    write("outside/victim", b"victim")
    outside = tree("outside")
    for run in range(ROUNDS):
        dice = random.Random("%s again %d" % (SEED, run))
        w = TreeWriter("d", dice.random())
        for step in range(5):
            for _ in range(dice.randrange(40)):
                w.act()
                if dice.random() < 0.1:
                    replace_kind(w)
            if dice.random() < 0.5 and os.path.isdir("in/d"):
                meddle("in/d", dice)
            for _ in range(dice.randrange(3)):
                kill_some(dice, port)
            for again in (False, True):
                what = "run %d, step %d%s" % (run, step, ", unchanged" if again else "")
                r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--force", "--wait", PATIENCE, "--json").listening()
                s = mirror_tree(None, "--once", port=port).end()
                r.end()
                assert_same_tree("in/d", "d", what)
                only("in", "d")
                assert tree("outside") == outside, what
            told = json.loads(s.out)
            entries = len(w.all("files")) + len(w.all("folders")) + 1
            assert told["link_bytes"] < 5000 + 100 * (told["size"] // REGION + 1) + 300 * entries, (what, entries, s.out)


def case_mirror_tree_again_costs_what_changed():
    """What the old copy has does not travel: where a file changed, its pages, and a new file before all others."""
    dice = random.Random(SEED)
    os.makedirs("d/sub")
    names = ["d/%s%02d" % (dice.choice(("", "sub/")), n) for n in range(50)]
    for name in names:
        write(name, dice.randbytes(200000))

    def change():
        with open(names[7], "r+b") as f:
            f.seek(100000)
            f.write(b"changed")

    def cut():
        os.truncate(names[9], 150000)

    def grow():
        with open(names[11], "ab") as f:
            f.write(dice.randbytes(10000))

    def replace():
        os.unlink(names[13])
        os.symlink(os.path.basename(names[12]), names[13])
    acts = ((None, 10000), (change, 20000), (cut, 20000), (grow, 40000), (replace, 20000), (lambda: write("d/.first", dice.randbytes(30000)), 60000),
            (lambda: os.unlink(names[3]), 20000), (lambda: os.chmod(names[4], 0o600), 20000))
    for n, (act, most) in enumerate(((lambda: None, 1 << 40), *acts)):
        if act:
            act()
        r = receive("--force")
        s = mirror_tree(r, "--once").end()
        r.end()
        assert_same_tree("in/d", "d", "act %d" % n)
        assert json.loads(s.out)["link_bytes"] < most, (n, s.out)


def case_mirror_tree_again_of_one_sender():
    """The receiver of a mirror goes away and comes back without its partial file, and has an old copy."""
    dice = random.Random(SEED)
    os.mkdir("d")
    for n in range(30):
        write("d/%02d" % n, dice.randbytes(100000))
    shutil.copytree("d", "in/d")
    r = receive("--force")
    s = mirror_tree(r, "--every", 1)
    write("d/marker", b"marker 1")
    await_content("in/.d.dxwan-part", b"marker 1")
    r.kill()
    r.end(-9)
    os.unlink("in/.d.dxwan-part")
    r = Run("recv", "127.0.0.1:%d" % r.port, "--out", "in", "--force", "--wait", PATIENCE).listening()
    write("d/marker", b"marker 2")
    await_content("in/.d.dxwan-part", b"marker 2")
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert_same_tree("in/d", "d")
    only("in", "d")
    assert json.loads(s.out)["link_bytes"] < 100000, s.out


def files_of_image(image):
    """The files of a valid image of a directory, by their path in a copy."""
    at, _, count = struct.unpack_from("<QQQ", image, 8)
    files, above = {}, []
    for _ in range(count):
        kind, depth, _, name_size, target_size, _, size, place = struct.unpack_from("<HHHHH6xqQQ", image, at)
        above[depth:] = [os.fsdecode(image[at + 40:at + 40 + name_size])]
        at += 40 + name_size + target_size
        if kind == 1:
            files["in/f" + "/".join(above)] = image[place:place + size]
    return files


def case_mirror_tree_again_damaged_tables():
    """Whole mirrors whose table is damaged, or one that no directory has, onto an older copy with links and a pipe: the copy stays, or
    becomes what the image says, byte by byte, and nothing outside of it is touched."""
    root, outside = entry(0, kind=2, mode=0o755), os.path.abspath("outside").encode()
    os.mkdir("outside")
    write("outside/victim", b"victim" * 9999)
    os.makedirs("old/a")
    write("old/a/b", b"old content " * 40000)
    at = REGION + 64
    base = [root, entry(1, b"a", kind=2), entry(2, b"b", size=300000, at=at), entry(1, b"l", kind=2), entry(2, b"victim", size=9000, at=at + 300000),
            entry(1, b"p", size=5000, at=at + 310000)]
    bad = {"sound": base, "overlap": base + [entry(1, b"q", size=300000, at=at + 10)], "below_a_file": base + [entry(2, b"x", size=5, at=at)],
           "deep": [root] + [entry(n, b"n", kind=2) for n in range(1, 257)] + [entry(256, b"o", size=9, at=at)],
           "no_root": base[1:], "two_roots": [root, *base], "jump": [root, entry(3, b"x", size=9, at=at)], "huge": base + [entry(1, b"q", size=1 << 60, at=at)],
           "overflow": base + [entry(1, b"q", size=(1 << 64) - 9, at=at)], "in_head": base + [entry(1, b"q", size=9, at=1)], "absolute": [root, entry(1, outside, size=9, at=at)],
           "up": [root, entry(1, b"..", kind=2), entry(2, b"victim", size=9, at=at)]}
    dice = random.Random(SEED)
    content = b"x" * (3 * REGION)
    images = {name: tree_image(entries, content=b"", at=64, more=content) for name, entries in bad.items()}
    for n in range(ROUNDS * 4):
        image = bytearray(images["sound"])
        for _ in range(dice.randrange(1, 4)):
            image[dice.choice((dice.randrange(32), dice.randrange(64, 64 + sum(map(len, base)))))] = dice.choice((0, 1, 255, dice.randrange(256)))
        images["damaged %d" % n] = bytes(image)
    before, outer = tree("old/a"), tree("outside")
    taken = set()
    for name, image in images.items():
        shutil.rmtree("in")
        os.mkdir("in")
        shutil.copytree("old/a", "in/f/a")
        os.symlink(outside, "in/f/l")
        os.mkfifo("in/f/p")
        for turn in (b"y", b"z"): # the second one finds the table in the partial file, and compares what comes after it
            r = receive("--force", "--timeout", 5)
            sent = image[:-len(content) + 9] + turn * (len(content) - 9)
            s, server = send_image(sent, r)
            for run in (r, s):
                run.process.wait(PATIENCE)
                assert run.process.returncode in (0, 3, 4, 6), (name, run.process.returncode)
                run.end(run.process.returncode)
            server.close()
            assert tree("outside") == outer, name
            if not r.process.returncode:
                taken.add(name)
                paths = [os.path.join(at, file) for at, _, files in os.walk("in/f") for file in files]
                assert {path: read(path) for path in paths if not os.path.islink(path)} == files_of_image(sent), name
            elif name not in taken:
                assert tree("in/f/a") == before, name
    assert "sound" in taken and not taken & {"two_roots", "below_a_file", "jump", "huge", "overflow", "in_head", "absolute", "up"}, taken


class PlantedTable:
    """A receiver that finds the image of a directory in its partial file, and a sender by hand that checks regions. What the
    receiver finds of a region in the copy that it will replace, it puts there."""

    def __init__(self, image):
        with open("in/.f.dxwan-part", "wb") as part: # by blocks, as one of many entries is large
            part.write(image)
        self.receiver = receive("--force")
        self.socket = connect(self.receiver.port)
        self.socket.sendall(join(kind=3))
        self.frames = frames_of(self.socket)
        assert next(self.frames)[0] == 0x31

    def find(self, number=1):
        """The region after a check that no content passes, and how long that took."""
        began = time.time()
        self.socket.sendall(check(number, REGION, digest=b"no hash".ljust(32)))
        opcode, _, _, payload = next(self.frames)
        assert opcode == 0xff and struct.unpack("<HIB", payload[:7])[::2] == (0x8003, 1), payload[:7]
        with open("in/.f.dxwan-part", "rb") as part:
            part.seek(number * REGION)
            return part.read(REGION), time.time() - began

    def end(self):
        self.memory_kib = self.receiver.memory_kib()
        self.socket.close()
        self.receiver.kill()
        self.receiver.end(-9)
        os.unlink("in/.f.dxwan-part")
        return self


def hostile_places():
    """Tables by name, the files that the second region then has of the old copy: (place in it, bytes), or None if the table is refused."""
    root, at = entry(0, kind=2, mode=0o755), REGION
    file = lambda name, place, size=1000, depth=1: entry(depth, name, size=size, at=at + place)
    folder = lambda name, depth=1: entry(depth, name, kind=2)
    good, has = [root, folder(b"a"), file(b"b", 100, 5000, depth=2)], [(100, OLD_FILE[:5000])]
    deep = [root, *good[1:], *[folder(b"n", n) for n in range(1, 257)]]
    outside = os.path.abspath("outside").encode()
    return {"sound": (good, has),
            "a_file_that_is_shorter": ([root, folder(b"a"), file(b"b", 9, len(OLD_FILE) + 9, depth=2)], [(9, OLD_FILE[:REGION - 9])]),
            "a_file_from_before": ([root, folder(b"a"), entry(2, b"b", size=5000, at=at - 1000)], [(0, OLD_FILE[1000:5000])]),
            "bytes_of_one": (good[:2] + [entry(2, b"b", size=1, at=at + n) for n in (5, 9, 7)], [(n, OLD_FILE[:1]) for n in (5, 7, 9)]),
            "a_name_twice": (good + [file(b"b", 9000, depth=2)], has + [(9000, OLD_FILE[:1000])]),
            "not_there": (good + [file(b"nothing", 9000), folder(b"none"), file(b"b", 20000, depth=2)], has),
            "below_a_link": (good + [folder(b"l"), file(b"victim", 9000, depth=2)], has),
            "a_link_as_file": (good + [file(b"v", 9000)], has),
            "a_directory_as_file": (good + [file(b"a", 9000)], has),
            "a_file_as_directory": (good + [folder(b"s"), file(b"victim", 9000, depth=2)], has),
            "a_pipe_as_file": (good + [file(b"p", 9000)], has),
            "a_pipe_as_directory": (good + [folder(b"p"), file(b"victim", 9000, depth=2)], has),
            "deep": (deep, has),
            "too_deep": (deep + [entry(257, b"o", size=9, at=at + 9000)], None),
            "at_the_end": (good + [entry(1, b"s", size=9, at=(1 << 43) - 9)], has),
            "beyond_the_end": (good + [entry(1, b"s", size=10, at=(1 << 43) - 9)], None),
            "far_beyond_the_end": (good + [entry(1, b"s", size=9, at=1 << 63)], None),
            "end_of_all_numbers": (good + [entry(1, b"s", size=9, at=(1 << 64) - 9)], None),
            "overflow": (good + [file(b"s", 9000, (1 << 64) - 9)], None),
            "huge": (good + [file(b"s", 9000, 1 << 62)], None),
            "overlap": (good + [file(b"s", 5099)], None),
            "overlap_before": (good + [file(b"s", 0, 101)], None),
            "same_place": (good + [file(b"s", 100)], None),
            "beside_each_other": (good + [file(b"s", 0, 100), file(b"s", 5100)], has + [(0, OLD_SMALL[:100]), (5100, OLD_SMALL[:1000])]),
            "in_the_header": (good + [entry(1, b"s", size=9, at=55)], None),
            "over_the_header": (good + [entry(1, b"s", size=9, at=0)], None),
            "before_the_table": (good + [entry(1, b"s", size=1000, at=64)], has),
            "into_the_table": (good + [entry(1, b"s", size=1001, at=64)], None),
            "in_the_table": (good + [entry(1, b"s", size=9, at=1100)], None),
            "around_the_table": (good + [entry(1, b"s", size=9000, at=64)], None),
            "behind_the_table": (good + [entry(1, b"s", size=9, at=64 + 1000 + sum(map(len, good)) + 41)], has),
            "end_of_the_table": (good + [entry(1, b"s", size=9, at=64 + 1000 + sum(map(len, good)) + 40)], None),
            "nothing_in_it": (good + [entry(1, b"s"), entry(1, b"t", kind=3, target=b"s")], has),
            "up": ([root, folder(b".."), file(b"victim", 9000, depth=2)], None),
            "up_as_file": (good + [file(b"..", 9000)], None),
            "dot": (good + [folder(b"."), file(b"s", 9000, depth=2)], None),
            "absolute": (good + [file(outside + b"/victim", 9000)], None),
            "slash": (good + [file(b"l/victim", 9000)], None),
            "zero": (good + [file(b"s\0x", 9000)], None),
            "no_name": (good + [file(b"", 9000)], None),
            "no_root": ([file(b"s", 9000), *good[1:]], None),
            "root_is_a_file": ([entry(0, size=9, at=at + 9000), *good[1:]], None),
            "two_roots": ([*good, root], None),
            "below_a_file": (good[:2] + [file(b"b", 100, 5000, depth=2), file(b"x", 9000, depth=3)], None),
            "jump": (good + [file(b"s", 9000, depth=4)], None),
            "device": (good + [entry(1, b"s", kind=4)], None),
            "a_directory_with_a_size": (good + [entry(1, b"a", kind=2, size=9, at=at + 9000)], None)}


OLD_FILE, OLD_SMALL = (b"old content " * 40000)[:300000], b"small " * 2000


def make_old_copy():
    """The copy that tables refer to, and what lies outside of it."""
    os.mkdir("outside")
    write("outside/victim", b"victim" * 9999)
    os.makedirs("in/f/a")
    write("in/f/a/b", OLD_FILE)
    write("in/f/s", OLD_SMALL)
    os.symlink(os.path.abspath("outside"), "in/f/l")
    os.symlink(os.path.abspath("outside/victim"), "in/f/v")
    os.mkfifo("in/f/p")


def case_mirror_tree_again_hostile_tables():
    """A table says where the files of the old copy belong. Each of those that no directory has is refused as a whole, or finds what the
    copy has under the same path, byte by byte, and nothing else: no link is followed, and no pipe opened."""
    make_old_copy()
    outer, inner = tree("outside"), tree("in/f/a")
    piped = []
    def open_pipe():
        fd = os.open("in/f/p", os.O_WRONLY) # until it is opened to be read
        piped.append(fd)
    waiter = threading.Thread(target=open_pipe, daemon=True)
    waiter.start()
    x = b"x" * REGION
    pad = lambda image: image.ljust(REGION, b"\0") + x
    def expected(files):
        out = bytearray(REGION)
        for place, content in files:
            out[place:place + len(content)] = content
        return bytes(out)
    for name, (entries, files) in hostile_places().items():
        t = PlantedTable(pad(tree_image(entries, content=bytes(1000))))
        found, _ = t.find()
        assert found == (x if files is None else expected(files)), (name, found.strip(b"\0")[:99])
        assert t.find(9)[0] == b"", name # nothing is there, and nothing of what was read before
        t.end()
    entries, root = hostile_places()["sound"][0], entry(0, kind=2)
    good = b"".join(entries)
    for name, image in {"fewer": tree_image(entries, content=b"", count=2), "more": tree_image(entries, content=b"", count=4),
                        "many": tree_image(entries, content=b"", count=1 << 20), "cut": tree_image(entries, content=b"", size=len(good) - 1),
                        "long": tree_image(entries, content=b"", size=len(good) + 1), "none": tree_image([], content=b"")}.items():
        t = PlantedTable(pad(image))
        assert t.find()[0] == x, name
        t.end()
    name, up = b"a name of 20 bytes..", b"../../outside/victim"
    write(b"in/f/" + name, OLD_SMALL)
    for new in (entry(1, up, size=5000, at=REGION), entry(1, name, kind=2), entry(1, name, kind=3, target=b"x"), entry(0, name, size=5000, at=REGION), bytes(60)):
        t = PlantedTable(pad(tree_image([root, entry(1, name, size=5000, at=REGION)], content=b"")))
        with open("in/.f.dxwan-part", "r+b") as part:
            part.truncate(3 * REGION)
            assert t.find(2)[0] == bytes(REGION)
            part.seek(64 + len(root))
            part.write(new[:60]) # somebody else does, after the table was found to be good
            part.flush()
            assert t.find()[0] == x, new
        t.end()
    waiter.join(0.1)
    assert not piped
    fd = os.open("in/f/p", os.O_RDONLY)
    waiter.join()
    os.close(fd)
    os.close(piped[0])
    assert tree("outside") == outer and tree("in/f/a") == inner
    only(".", "in", "outside")


def case_mirror_tree_again_of_many_entries():
    """Memory does not depend on what a table says: with as many entries as there may be it is 24 bytes for each, and names and
    targets take none. A region that has parts of very many files, each deep in directories, does not hold the receiver up."""
    make_old_copy()
    root, place = entry(0, kind=2), 512 * REGION
    for name in (b"0", b"1"):
        os.makedirs("in/f/" + os.path.join(name.decode(), *["n"] * 199))
    write("in/f/" + os.path.join("0", *["n"] * 199, "0"), b"!")
    ones = [root]
    for n in range(2):
        ones += [entry(1, b"%d" % n, kind=2)] + [entry(depth, b"n", kind=2) for depth in range(2, 201)]
        ones += [entry(201, b"%x" % i, size=1, at=place + i) for i in range(n, (1 << 20) - 401, 2)]
    links = [root, entry(1, b"s", size=1000, at=place)] + [entry(1, b"l%d" % n, kind=3, target=b"t" * 4095) for n in range(25000)]
    folders = [root, entry(1, b"s", size=1000, at=place)] + [entry(1, b"%x" % n, kind=2) for n in range((1 << 20) - 2)]
    for name, entries, found in (("ones", ones, b"!"), ("links", links, OLD_SMALL[:1000]), ("folders", folders, OLD_SMALL[:1000])):
        image = tree_image(entries, content=b"")
        assert len(image) < place and len(entries) <= 1 << 20
        t = PlantedTable(image.ljust(place, b"\0") + b"x" * REGION)
        got, seconds = t.find(512)
        assert got == found.ljust(REGION, b"\0"), (name, got[:99])
        assert t.find(513)[0] == b"" # a region behind the file
        t.end()
        assert t.memory_kib < MEMORY_MAX_KIB, (name, t.memory_kib)
        assert seconds < 10, (name, seconds)


def case_mirror_tree_by_the_daemon():
    """A [[mirror]] whose file is a directory, and a [[receiver]] that replaces its copy."""
    one, = free_ports(1)
    w = TreeWriter("d", SEED)
    for _ in range(40):
        w.act()
    os.makedirs("in/d/old")
    d = Daemon(FEW + receiver_table("r", one, force="true") + mirror_table("d", one)).await_line("started: 1 mirror, 1 receiver")
    write("d/marker", b"marker")
    await_content("in/.d.dxwan-part", b"marker")
    for _ in range(20):
        w.act()
    assert os.listdir("in/d") == ["old"]
    d.end()
    assert_same_tree("in/d", "d")
    only("in", "d")


def case_mirror_like_by_the_daemon():
    """`like` of a [[mirror]]: the copy of another machine's image comes from the image that the receiver has."""
    dice = random.Random(SEED)
    one, = free_ports(1)
    pages = paged(dice, 512)
    write("first", b"".join(pages))
    write("in/first", b"".join(pages))
    dice.shuffle(pages)
    write("second", b"".join(pages))
    config = FEW + receiver_table("r", one) + mirror_table("m", one, "second", like='"first"')
    d = Daemon(config).await_line("started: 1 mirror, 1 receiver")
    await_bytes("in/.second.dxwan-part", len(pages) * 4096)
    d.end()
    assert read("in/second") == read("second")
    os.unlink("first")
    write("c.toml", config.encode())
    Run("daemon", "--config", "c.toml").end(2, "[[mirror]] m: like first: No such file")


# ---- cases: probe
def case_probe():
    """Through a proxy that gives each connection 400 kB/s, the figures say so, and more connections are advised; a receiver
    that was probed still receives."""
    r = receive()
    p = Proxy(r.port, 1, delay=(0.02, 0.02), rate=400000)
    s = Run("probe", "127.0.0.1:%d" % p.port, "--streams", 8, "--seconds", 3, "--json").end()
    told = json.loads(s.out)
    assert told["rtt_us"] >= 40000 and told["streams"] == 8, told
    one, four, eight = (told["bytes_per_second_%d" % n] for n in (1, 4, 8))
    assert 150000 < one < 600000 and four > 1.3 * one and eight > 1.3 * four, told
    p.close()
    told = json.loads(Run("probe", "127.0.0.1:%d" % r.port, "--seconds", 1, "--json").end().out)
    tried = [int(name.rsplit("_", 1)[1]) for name in told if name.startswith("bytes_per_second_")]
    speeds = [told["bytes_per_second_%d" % n] for n in tried]
    assert tried == [1, 4, 16, 64, 256][:len(tried)] and len(tried) > 1, told
    assert all(b > 1.1 * a for a, b in zip(speeds[:-1], speeds[1:-1])), told      # each but the last gained
    assert tried[-1] == 256 or speeds[-1] <= 1.1 * speeds[-2], told
    Run("probe", "127.0.0.1:%d" % r.port, "--streams", 2, "--seconds", 1).end()
    write("f", content := os.urandom(100000))
    Run("send", "f", "127.0.0.1:%d" % r.port).end()
    r.end()
    assert read("in/f") == content
    Run("probe", "127.0.0.1:1", "--timeout", 1).end(3, "0 of 1 connection within 1 s: Connection refused")


def case_probe_hostile():
    def behave_as(name):
        def behave(s, done):
            for opcode, flags, sequence, payload in frames_of(s):
                if opcode == 0x30 and name in ("refuses", "other"):
                    s.sendall(frame(0x32, struct.pack("<I", 400 if name == "refuses" else 404) + b"no", 0, sequence))
                elif opcode == 0x30 and name != "silent":
                    s.sendall(frame(0x31, b"receiver", 0, sequence))
                    if name == "too_many_answers":
                        s.sendall(frame(0xff, struct.pack("<HIB", 0x8003, 1, 0)) * 1000)
                elif opcode == 0xff and name == "other_answers":
                    s.sendall(frame(0xff, struct.pack("<HIB", 0x8005, 1, 0)))
        return behave
    for name, status, says in (("silent", 3, "0 of 1 connection within 1 s"), ("refuses", 6, "refused: no"), ("other", 3, "is not a dxwan receiver"),
                               ("counts_nothing", 3, "nothing arrived over 1 connection within"),
                               ("too_many_answers", 3, "breaks the protocol"), ("other_answers", 3, "breaks the protocol")):
        with fake_receiver(behave_as(name)) as port:
            Run("probe", "127.0.0.1:%d" % port, "--timeout", 1, "--seconds", 1).end(status, says)
    r = receive("--wait", 2)
    s = connect(r.port)
    s.sendall(join(b"probe", kind=2) + frame(0xff, struct.pack("<HI", 0x8006, 1) + bytes(65532)) + chunk(0, b"1"))
    assert any(f[0] == 2 for f in frames_of(s))
    s.close()
    r.end(3, "no sender has come within 2 s")
    only("in")


# ---- cases: daemon
def free_ports(count):
    """Ports that no other program is given meanwhile: below the ports that the system hands out."""
    ports = set()
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            ports.add(port)
    return list(ports)


def mirror_table(name, port, file=None, **more):
    lines = ["[[mirror]]", 'name = "%s"' % name, 'file = "%s"' % (file or name), 'address = "127.0.0.1:%d"' % port]
    return "\n".join(lines + ["%s = %s" % pair for pair in more.items()]) + "\n"


def receiver_table(name, port, out="in", **more):
    lines = ["[[receiver]]", 'name = "%s"' % name, 'address = "127.0.0.1:%d"' % port, 'out = "%s"' % out]
    return "\n".join(lines + ["%s = %s" % pair for pair in more.items()]) + "\n"


FEW = "[transport]\nmin_streams = 1\ninitial_streams = 2\nmax_streams = 4\n"


def write_config(path, text):
    """Mirrors of a daemon need zstd, unless they are plain copies."""
    if "[[mirror]]" in text and "enabled = false" not in text and not has_part("zstd"):
        raise Skip("dxwan was built without zstd")
    write(path, text.encode())


class Daemon(Run):
    """A daemon in the background. Its lines are collected as they come."""

    def __init__(self, config, path="c.toml", env=None):
        write_config(path, config)
        super().__init__("daemon", "--config", path, env=env)
        self.lines = []
        self.threads = [threading.Thread(target=self.collect, args=(f,), daemon=True) for f in (self.process.stdout, self.process.stderr)]
        for t in self.threads:
            t.start()

    def collect(self, f):
        for line in f:
            self.lines.append(line.decode().rstrip())

    def await_line(self, text, times=1):
        deadline = time.time() + PATIENCE
        while time.time() < deadline:
            if sum(text in line for line in self.lines) >= times:
                return self
            assert self.process.poll() is None or any(t.is_alive() for t in self.threads), (text, self.lines)
            time.sleep(0.02)
        raise AssertionError("not said %d times: %r, but %s" % (times, text, self.lines))

    def end(self, status=0, says="", number=signal.SIGTERM):
        if number and self.process.poll() is None:
            self.kill(number)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the daemon does not end: %s" % self.lines)
        for t in self.threads:
            t.join()
        running.remove(self)
        assert self.process.returncode == status, "status %d instead of %d: %s" % (self.process.returncode, status, self.lines)
        assert any(says in line for line in self.lines), "not said: %r, but %s" % (says, self.lines)
        return self


def check_config(text, status=0, says=""):
    write_config("checked.toml", text)
    return Run("daemon", "--config", "checked.toml", "--check-config").end(status, says)


# table, key, smallest, largest, one below, one above; "" as the table: above all tables
BOUNDS = (("", "drain_s", 1, 3600, 0, 3601),
          ("transport", "min_streams", 1, 256, 0, 257), ("transport", "max_streams", 32, 256, 0, 257),
          ("transport", "initial_streams", 16, 256, 0, 257), ("transport", "stream_scaling_factor", 1.0001, 10, 1, 10.01),
          ("transport", "connect_timeout_ms", 1000, 300000, 999, 300001), ("transport", "timeout_ms", 1000, 3600000, 999, 3600001),
          ("transport", "send_buffer_bytes", 1024, 1 << 30, 1023, (1 << 30) + 1),
          ("transport", "recv_buffer_bytes", 1024, 1 << 30, 1023, (1 << 30) + 1),
          ("transport", "pacing_rate", 1 << 20, 100 << 30, (1 << 20) - 1, (100 << 30) + 1),
          ("compression", "level", 0, 3, -1, 4), ("compression", "dictionary_update_s", 60, 604800, 59, 604801),
          ("compression", "adaptive_threshold", 1.01, 100, 1, 100.5), ("compression", "min_ratio", 1.01, 100, 1, 101),
          ("compression", "baseline_sync_ms", 100, 60000, 99, 60001), ("compression", "pruning_s", 60, 86400, 59, 86401),
          ("health", "interval_ms", 100, 3600000, 99, 3600001), ("metrics", "interval_ms", 100, 3600000, 99, 3600001),
          ("recovery", "tries", 0, 100, -1, 101), ("recovery", "backoff_ms", 10, 60000, 9, 60001),
          ("breaker", "failures", 1, 1000, 0, 1001), ("breaker", "open_ms", 100, 3600000, 99, 3600001),
          ("prediction", "update_interval_s", 1, 86400, 0, 86401), ("prediction", "horizon_s", 1, 3600, 0, 3601),
          ("prediction", "history_s", 1, 604800, 0, 604801), ("prediction", "confidence", 0.01, 1, 0, 1.01),
          ("sync", "interval_ms", 10, 3600000, 9, 3600001), ("sync", "timeout_ms", 10, 3600000, 9, 3600001),
          ("consensus", "min_nodes", 1, 1000, 0, 1001), ("consensus", "election_timeout_ms", 51, 60000, 9, 60001),
          ("consensus", "heartbeat_ms", 1, 149, 0, 60001))


def case_dc_4_every_bound_is_checked():
    """The smallest and the largest value of each key are taken, all at once; one beyond each is refused, with its line."""
    rest = receiver_table("r", 31999)
    tables = sorted({b[0] for b in BOUNDS})

    def document(values):
        return "\n".join(("[%s]\n" % t if t else "") + "".join("%s = %s\n" % (k, v) for (table, k), v in values.items() if table == t)
                         for t in tables) + rest
    check_config(document({("transport", "initial_streams"): 32, **{b[:2]: b[2] for b in BOUNDS if b[1] not in ("initial_streams",)}}))
    check_config(document({b[:2]: b[3] for b in BOUNDS}))
    runs = []
    for i, (table, key, low, high, below, above) in enumerate(BOUNDS):
        for value in (below, above, ('"text"', "true", "1979-05-27", "nan", "[%s, 2]" % high)[i % 5]):
            path = "b%d" % len(runs)
            write(path, (("[%s]\n" % table if table else "") + "%s = %s\n" % (key, value) + rest).encode())
            runs.append((Run("daemon", "--config", path, "--check-config"), path, table, key, value))
            if len(runs) % 8 == 0:
                for r, *_ in runs[-8:]:
                    r.process.wait(PATIENCE)
    for r, path, table, key, value in runs:
        line = 2 if table else 1
        r.end(1, "INVALID_CONFIG: %s:%d: %s: must %s" % (path, line, key, "not be a list" if str(value)[0] == "[" else "be a number "))


def case_dc_1_dc_2_dc_3_names_and_later_phases():
    """W-62, HD-11: what this version does not do is refused by its name: RDMA, baseline sync, dictionaries, later phases."""
    rest = receiver_table("r", 31999)
    check_config(rest)
    whole = ("enabled = true\n[transport]\nmode = 'tcp'\nrdma = false\npacing = true\ncongestion_control = 'cubic'\n[compression]\nalgorithm = 'zstd'\n"
             "delta = true\ndelta_algorithm = 'auto'\ndictionary = false\nadaptive = true\nbaseline_sync = false\n[prediction]\nenabled = false\n"
             "model = 'lstm'\n[partitioner]\nenabled = false\n[sync]\nenabled = false\nconflict = 'lww'\n[consensus]\nenabled = false\nalgorithm = 'raft'\n"
             "[resilience]\nenabled = false\n")
    check_config(whole + rest)
    for table in ("prediction", "partitioner", "sync", "consensus", "resilience"):
        check_config("[%s]\nenabled = true\n" % table + rest, 1, "checked.toml:2: enabled: unsupported: it belongs to a later phase")
    for table, key, value, says in (("transport", "rdma", "true", "unsupported: this version has TCP only"),
                                    ("transport", "mode", "'rdma'", "unsupported: 'rdma'; this version has 'tcp'"),
                                    ("transport", "mode", "'hybrid'", "unsupported: 'hybrid'"), ("transport", "mode", "'dm'", "'dm' is unknown"),
                                    ("transport", "mode", "'tcp rdma'", "'tcp rdma' is unknown"), ("transport", "mode", "''", "must not be empty"),
                                    ("compression", "algorithm", "'lz4'", "unsupported: 'lz4'; this version has 'zstd'"),
                                    ("compression", "algorithm", "'snappy'", "unsupported: 'snappy'"),
                                    ("compression", "algorithm", "'gzip'", "'gzip' is unknown; give 'zstd'"),
                                    ("compression", "delta_algorithm", "'bsdiff'", "unsupported: 'bsdiff'"),
                                    ("compression", "dictionary", "true", "unsupported: mirrors train no dictionaries"),
                                    ("compression", "baseline_sync", "true", "unsupported"),
                                    ("compression", "delta", "1", "must be true or false"), ("sync", "conflict", "'crdt'", "'crdt' is unknown"),
                                    ("compression", "unknown", "1", "no such key"), ("transports", "mode", "'tcp'", "no such key")):
        check_config("[%s]\n%s = %s\n" % (table, key, value) + rest, 1, "INVALID_CONFIG: checked.toml:2: %s: %s" % (key, says))
    for text, says in (("", "neither a [[mirror]] nor a [[receiver]]"), ("x = 1\n" + rest, ":1: x: no such key"),
                       ("[transport]\nmin_streams = 33\n" + rest, "initial_streams is not between"),
                       ("[transport]\nmin_streams = 40\nmax_streams = 39\n" + rest, "min_streams is above max_streams"),
                       ("[consensus]\nheartbeat_ms = 150\n" + rest, "heartbeat_ms is not below"),
                       (rest + rest, "the name r is given twice"), (rest + mirror_table("r", 1), "the name r is given twice"),
                       ("[[mirror]]\nname = 'm'\nfile = 'f'\n", "mirror m has no address"), ("[[mirror]]\nname = 'm'\naddress = 'a:1'\n", "mirror m has no file"),
                       ("[[receiver]]\nname = 'q'\nout = 'in'\n", "receiver q has no address"),
                       ("[[mirror]]\nname = 'a b'\n", "mirror 1 needs a name"), ("[[mirror]]\nname = '%s'\n" % ("n" * 65), "mirror 1 needs a name"),
                       ("[[mirror]]\nname = 'm'\nmore = 1\n", "no such key in [[mirror]]"), (mirror_table("m", 1, every_s=0), "must be a number from 1 to 86400"),
                       ("".join(mirror_table("m%d" % i, 1) for i in range(65)), "more than 64 mirrors"), ("[transport", ":1: "), ("a = \n", ":1: "),
                       ("enabled = true\nenabled = true\n", ":2: ")):
        check_config(text, 1, says)
    Run("daemon", "--config", "missing", "--check-config").end(2, "missing")
    Run("daemon", "--check-config").end(1, "--config FILE is missing")
    Run("daemon", "--config", "in", "--check-config").end(1, "INVALID_CONFIG: in: is a directory")


def case_dc_4_broken_configurations_have_a_line():
    """What is no TOML, and an empty list or table where a value belongs: refused with its line, and never the end of the process. `tls_ca = []` is not
    the same as no tls_ca: it would switch TLS off."""
    rest = receiver_table("r", 31999)
    for text in ("[.]", "[#", "[{a}]", "[[[a]]]", "[[=]]", "[[{", "[=]", "[ ,]", "[a.]", "[" * 10000):
        check_config("enabled = true\n\n" + text + "\n" + rest, 1, "INVALID_CONFIG: checked.toml:3: ")
    for table, key, says in (("", "drain_s", "must be a number from 1 to 3600"), ("", "enabled", "must be true or false"), ("transport", "tls_ca", "must be a string"),
                             ("transport", "mode", "must be a string"), ("transport", "min_streams", "must be a number"),
                             ("transport", "stream_scaling_factor", "must be a number"), ("transport", "no", "no such key"), ("", "no", "no such key"),
                             ("metrics", "address", "must be a string")):
        for value in ("[]", "{}"):
            text = ("[%s]\n" % table if table else "\n") + "%s = %s\n" % (key, value) + rest
            check_config(text, 1, "INVALID_CONFIG: checked.toml:2: %s: %s" % (key, says))
    check_config(rest + "tls_name = []\n", 1, "tls_name: must be a string")
    check_config("[[mirror]]\n" + rest, 1, "checked.toml:1: mirror: has no keys")
    check_config("[transport]\n[metrics]\n" + rest)
    for address in ("x", ":0", ":7100", "a:", "a:b", "a:65536", "a:99999999999999999999", "a:-1", "a:+1", "a: 1", "::1:5", "[::1]", "a" * 300 + ":1"):
        for table in ("[[receiver]]\nout = 'in'\n", "[[mirror]]\nfile = 'f'\n"):
            check_config(table + "name = 'n'\naddress = '%s'\n" % address, 1, "INVALID_CONFIG: checked.toml: %s n: address: '%s' is not an address" % (table.split("\n")[0], address))
    for name in ("../x", ".x", "a/b", "a\nb"):
        check_config("[[mirror]]\nfile = 'f'\nname = 'n'\naddress = '[::1]:1'\nas = %s\n" % json.dumps(name), 1, "INVALID_CONFIG: checked.toml: [[mirror]] n: as: the name of the file")
    write("f", b"")
    check_config("[[mirror]]\nfile = 'f'\nname = 'n'\naddress = 'example.org:65535'\nas = 'g'\n")
    r = check_config("drain_s = 0\n[transport]\nmode = 'x'\nno = [1, 2]\n[metrics]\naddress = 1\n" + rest, 1, "checked.toml:1: drain_s: ")
    assert [int(line.split(":")[3]) for line in r.errors.splitlines()] == [1, 3, 4, 6], r.errors # all of them, once
    r = check_config("".join("no_%d = 1\n" % i for i in range(50)) + rest, 1, "checked.toml:20: no_19: no such key")
    assert len(r.errors.splitlines()) == 20, r.errors
    dice = random.Random(SEED)
    words = ("[", "[[", "]", "]]", "a", ".", "=", "1", '"', "'", '"""', "\n", "#", "{", "}", ",", "-", "\\u", "1979-05-27", "nan", "\t", "\r", "receiver", "name")
    for n in range(ROUNDS * 40):
        text = "".join(dice.choice(words) for _ in range(dice.randrange(1, 12)))
        write("broken.toml", text.encode())
        r = Run("daemon", "--config", "broken.toml", "--check-config")
        r.process.wait(PATIENCE)
        r.end(1, "INVALID_CONFIG: broken.toml")


def tree_of(folder):
    """What a check must not change: names, kinds, sizes and times."""
    return sorted((os.path.join(at, name), s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for at, folders, files in os.walk(folder)
                  for name in folders + files + ["."] for s in [os.lstat(os.path.join(at, name))])


def case_dc_4_check_config_looks_at_what_is_named():
    """Every file, directory and address that cannot be used: --check-config and a start say the same of it, with its section and key, and end with
    the same status; neither waits, nor leaves anything behind."""
    one, two, where = free_ports(3)
    write("f", b"content")
    write(".hidden", b"")
    write("\\", b"") # no name for a file at the receiver
    os.mkfifo("fifo")
    os.symlink("nowhere", "loose")
    os.symlink("f", "to-f")
    os.mkdir("folder")
    os.symlink("folder", "to-folder")
    write("in/" + "o" * 250, b"") # it is there, but has no room for a partial file beside it
    mirror = lambda **more: mirror_table("m", one, **{"file": "f", **more})
    at = lambda address: receiver_table("r", 1).replace("127.0.0.1:1", address)
    whole = "[transport]\ntls_%s\n" + mirror()
    kinds = "is not a file, a directory, a block device or the memory of a process"
    faults = ((mirror(file="missing"), 2, "[[mirror]] m: file missing: No such file"), (mirror(file="loose"), 2, "[[mirror]] m: file loose: No such file"),
              (mirror(file="f/x"), 5, "[[mirror]] m: file f/x: Not a directory"), (mirror(file="fifo"), 1, "[[mirror]] m: file fifo: " + kinds),
              (mirror(file="/dev/null"), 1, "[[mirror]] m: file /dev/null: " + kinds),
              (mirror(file="/proc/cpuinfo"), 1, "[[mirror]] m: file /proc/cpuinfo: has no size"),
              (mirror(file="/proc/999999999/mem"), 2, "[[mirror]] m: file /proc/999999999/mem: No such file"),
              (mirror(file="/proc/self/mem"), 1, "[[mirror]] m: file /proc/self/mem: is the memory of dxwan itself"),
              (mirror(file="/proc/thread-self/mem"), 1, "[[mirror]] m: file /proc/thread-self/mem: is the memory of dxwan itself"),
              (mirror().replace("127.0.0.1:%d" % one, "127.0.0.1:0"), 1, "[[mirror]] m: address 127.0.0.1:0: no receiver has port 0"),
              (mirror().replace("127.0.0.1:%d" % one, "[::1]:000"), 1, "[[mirror]] m: address [::1]:000: no receiver has port 0"),
              (mirror().replace("127.0.0.1:%d" % one, "host.invalid:0"), 1, "[[mirror]] m: address host.invalid:0: no receiver has port 0"),
              (mirror(file=".hidden"), 1, "[[mirror]] m: file .hidden: the name of the file begins with a dot; the key `as`"),
              (mirror(like='"missing"'), 2, "[[mirror]] m: like missing: No such file"), (mirror(like='"folder"'), 1, "[[mirror]] m: like folder: is not a file"),
              (mirror(like='"fifo"'), 1, "[[mirror]] m: like fifo: is not a file"), (mirror(like='".hidden"'), 1, "[[mirror]] m: like .hidden: the name of"),
              (mirror(like="'\\'"), 1, "the name of the file has a slash"),
              (receiver_table("r", one, out="no/such"), 2, "[[receiver]] r: out no/such: the directory no does not exist"),
              (receiver_table("r", one, out="no/"), 2, "[[receiver]] r: out no/: the directory no/ does not exist"),
              (receiver_table("r", one, out="fifo"), 1, "[[receiver]] r: out fifo: is not a file or a directory"),
              (receiver_table("r", one, out="f/x"), 2, "[[receiver]] r: out f/x: the directory f does not exist"),
              (receiver_table("r", one, out="loose"), 1, "[[receiver]] r: out loose: is a symbolic link, which is never replaced"),
              (receiver_table("r", one, out="to-f"), 1, "[[receiver]] r: out to-f: is a symbolic link, which is never replaced"),
              (receiver_table("r", one, out="n" * 241), 1, "[[receiver]] r: out %s: the name of the file is longer than 240 bytes" % ("n" * 241)),
              (receiver_table("r", one, out="in/" + "o" * 250), 1, "[[receiver]] r: out in/%s: the name of the file is longer" % ("o" * 250)),
              (receiver_table("r", one, out="./" * 2035 + "p" * 14), 1, ": the path is too long"),
              (at("192.0.2.77:%d" % one), 5, "[[receiver]] r: address 192.0.2.77:%d: Cannot assign" % one),
              (at("host.invalid:%d" % one), 3, "[[receiver]] r: address host.invalid:%d: " % one),
              (at("unix:socket"), 1, "[[receiver]] r: address unix:socket: its file would stay; give HOST:PORT"),
              (whole % "cert = 'fifo'\ntls_key = 'f'", 1, "[transport] tls_cert fifo: is not a file"),
              (whole % "cert = 'folder'\ntls_key = 'f'", 1, "[transport] tls_cert folder: is a directory"),
              (whole % "ca = 'fifo'", 1, "[transport] tls_ca fifo: is not a file"), (whole % "ca = 'missing'", 2, "[transport] tls_ca missing: No such file"),
              (whole % "cert = 'f'\ntls_key = 'missing'", 2, "[transport] tls_key missing: No such file"))
    for address, status, says in (("192.0.2.77:%d" % where, 5, "192.0.2.77:%d: Cannot assign" % where), ("x", 1, "'x' is not HOST:PORT"), (":0", 1, "the port"),
                                  ("a:b", 1, "the port"), ("::1:5", 1, "'::1:5' is not HOST:PORT"), ("host.invalid:1", 1, "'host.invalid' is no address")):
        faults += (("[metrics]\naddress = '%s'\n" % address + mirror(), status, "[metrics] address: " + says),)
    # Addresses that exclude each other. The first is that of [metrics] if the third says so.
    pairs = (("127.0.0.1:%d", "127.0.0.1:%d", ""), ("127.0.0.1:%d", "127.0.0.1:0%d", ""), ("127.0.0.1:%d", "127.0.0.1:%d", "[metrics]"),
             ("localhost:%d", "127.0.0.1:%d", "[metrics]"))
    if socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)[0][0] == socket.AF_INET:
        pairs += (("127.0.0.1:%d", "localhost:%d", ""),)
    if has_ipv6():
        pairs += (("[::1]:%d", "[0:0::1]:%d", ""),)
    if sys.platform == "linux": # where an address of all excludes each of them
        name = "unix:@%s-%%d" % os.getpid()
        pairs += (("127.0.0.1:%d", "0.0.0.0:%d", ""), ("0.0.0.0:%d", "127.0.0.2:%d", ""), (":%d", "127.0.0.1:%d", "[metrics]"), (name, name, ""))
    if sys.platform == "linux" and has_ipv6():
        pairs += (("[::]:%d", "[::1]:%d", ""), ("127.0.0.1:%d", "[::]:%d", ""), ("[::ffff:127.0.0.1]:%d", "127.0.0.1:%d", ""),
                  (":%d", "[::1]:%d", "[metrics]"))
    for a, b, section in pairs:
        a, b = a % one, b % one
        first = "[metrics]\naddress = '%s'\n" % a if section else at(a)
        faults += ((first + at(b).replace('"r"', '"s"'), 1,
                    "[[receiver]] s: address %s: is in use by %s, with the address %s\n" % (b, section or "[[receiver]] r", a)),)
    before = None
    for text, status, says in faults:
        write("checked.toml", text.encode())
        before = before or (tree_of("in"), tree_of("folder"))
        began = time.time()
        checked = check_config(text, status, "INVALID_CONFIG: checked.toml: ")
        assert says in checked.errors, (says, checked.errors)
        started = Run("daemon", "--config", "checked.toml").end(status)
        assert checked.errors == started.errors and not checked.out and not started.out, (checked.errors, started.errors, started.out)
        assert time.time() - began < PATIENCE / 2
        assert (tree_of("in"), tree_of("folder")) == before
    shim = preload("int faccessat(int at, const char *path, int how, int flags) { errno = EACCES; return path[0] == 'd' ? -1 : (int)syscall(SYS_faccessat, at, path, how); }"
                   .replace("int fa", "#include <errno.h>\nint fa", 1))
    os.mkdir("denied")
    write("denied/old", b"")
    write("d", b"")
    for text, says in ((mirror(file="d"), "[[mirror]] m: file d: Permission denied"), (mirror(like='"d"'), "[[mirror]] m: like d: Permission denied"),
                       (mirror(file="denied"), "[[mirror]] m: file denied: Permission denied"),
                       (receiver_table("r", one, out="denied"), "[[receiver]] r: out denied: Permission denied"),
                       (receiver_table("r", one, out="denied/old"), "[[receiver]] r: out denied/old: the directory denied: Permission denied"),
                       (receiver_table("r", one, out="denied/new"), "[[receiver]] r: out denied/new: the directory denied: Permission denied")):
        write("checked.toml", text.encode())
        Run("daemon", "--config", "checked.toml", "--check-config", env=shim).end(5, says)
    # All of them in one run, the status of the first; --metrics-addr replaces the key.
    text = "[metrics]\naddress = 'x'\n" + mirror_table("a", one, file="missing", like='"fifo"') + mirror_table("b", one, file="f") + receiver_table("r", two, out="no/such")
    r = check_config(text, 1)
    assert len(r.errors.splitlines()) == 4, r.errors
    r = Run("daemon", "--config", "checked.toml", "--check-config", "--metrics-addr", "127.0.0.1:%d" % where).end(2, "file missing")
    assert len(r.errors.splitlines()) == 3, r.errors
    r = Run("daemon", "--config", "checked.toml", "--check-config", "--metrics-addr", "y").end(1, "--metrics-addr: 'y' is not HOST:PORT")
    # What a running daemon uses is no fault: it is checked before a SIGHUP.
    good = FEW + "[metrics]\naddress = '127.0.0.1:%d'\n" % where + receiver_table("r", one) + receiver_table("s", two, out="new") + mirror_table("f", one)
    before = tree_of("in")
    assert check_config(good).out == "checked.toml: correct\n" and tree_of("in") == before and not os.path.exists("new")
    d = Daemon(good).await_line("started")
    await_bytes("in/.f.dxwan-part", len(b"content"))
    check_config(good)
    d.end()
    assert read("in/f") == b"content"
    # The longest name and path stores; a link to a directory is one.
    for out in "n" * 240, "./" * 2034 + "p" * 14, "to-folder":
        path = os.path.join(out, "f") if os.path.isdir(out) else out
        s = Daemon(FEW + receiver_table("r", one, out=out) + mirror_table("f", one)).await_line("started")
        await_bytes(os.path.join(os.path.dirname(path), ".%s.dxwan-part" % os.path.basename(path)), len(b"content"))
        s.end()
        assert read(path) == b"content", out
    # Addresses that do not exclude each other: the check and the start agree.
    pairs = (("127.0.0.1:%d" % one, "127.0.0.1:%d" % two), ("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.1:0", "0.0.0.0:0"))
    if sys.platform == "linux": # all of 127.0.0.0/8 is there
        pairs += (("127.0.0.1:%d" % one, "127.0.0.2:%d" % one),)
    if has_ipv6():
        pairs += (("127.0.0.1:%d" % one, "[::1]:%d" % one), ("0.0.0.0:%d" % one, "[::1]:%d" % one))
    for a, b in pairs:
        text = at(a) + at(b).replace('"r"', '"s"')
        check_config(text)
        Daemon(text).await_line("started").end()


def case_dc_4_a_build_without_zstd_names_the_key():
    """A mirror that would compress is refused in a dxwan without zstd, with its section and the key that helps; a plain copy is not."""
    if has_part("zstd"):
        raise Skip("dxwan was built with zstd")
    write("f", b"content")
    text = mirror_table("m", free_ports(1)[0], file="f")
    write("checked.toml", text.encode())
    says = "INVALID_CONFIG: checked.toml: [[mirror]] m: COMPRESSION_FAILED: this dxwan was built without zstd; `enabled = false` above"
    Run("daemon", "--config", "checked.toml", "--check-config").end(5, says)
    Run("daemon", "--config", "checked.toml").end(5, says)
    check_config("enabled = false\n" + text)


def case_dm_1_life_cycle():
    """W-61: Mirrors and receivers of one process: all is copied, at SIGTERM with a last round; a second daemon is refused; a start that
    fails anywhere leaves nothing behind."""
    dice = random.Random(SEED)
    one, two, busy = free_ports(3)
    write("a", a := dice.randbytes(700000))
    write("b", b"old")
    config = FEW + receiver_table("ra", one) + receiver_table("rb", two, force="true") + mirror_table("a", one) + mirror_table("b", two)
    write("in/b", b"before")
    d = Daemon(config).await_line("started: 2 mirrors, 2 receivers")
    Run("daemon", "--config", "c.toml").end(6, "ALREADY_STARTED: another daemon runs with c.toml")
    await_bytes("in/.a.dxwan-part", 700000)
    await_bytes("in/.b.dxwan-part", 1)
    write("b", b := dice.randbytes(300000))
    d.end()
    assert read("in/a") == a and read("in/b") == b
    only("in", "a", "b")
    assert [line for line in d.lines if line.endswith("ended")] and d.lines[-1].startswith("receiver "), d.lines
    # What fails is the last thing to start; the ports of the first are free afterwards, and nothing is there.
    shutil.rmtree("in")
    os.mkdir("in")
    taken = socket.create_server(("127.0.0.1", busy))
    for last, status, says in ((receiver_table("x", busy), 5, "cannot listen on 127.0.0.1:%d" % busy),
                               (mirror_table("missing", one), 2, "INVALID_CONFIG: c.toml: [[mirror]] missing: file missing: No such file"),
                               (receiver_table("x", two + 1, out="no/such"), 2, "[[receiver]] x: out no/such: the directory no does not exist"),
                               ('[[mirror]]\nname = "x"\nfile = "a"\naddress = "nowhere"\n', 1, "'nowhere' is not an address")):
        began = time.time()
        Daemon(FEW + receiver_table("ra", one) + mirror_table("a", one) + last).end(status, says, number=None)
        for port in (one, two):
            socket.create_server(("127.0.0.1", port)).close()
        only("in")
    taken.close()


def case_dm_2_layers_start_in_order():
    """Transport, then compression and what is mirrored; a layer of a later phase is refused by its name before anything starts, and may
    be named while it is disabled."""
    good, busy, away = free_ports(3)
    layers = ("prediction", "partitioner", "sync", "consensus", "resilience")
    write("f", b"content")
    table = receiver_table("r", good) + mirror_table("f", good)
    for i, layer in enumerate(layers):
        more = "".join("[%s]\nenabled = %s\n" % (other, "true" if other == layer else "false") for other in layers)
        d = Daemon(more + table).end(1, "c.toml:%d: enabled: unsupported: it belongs to a later phase" % (2 * i + 2), number=None)
        assert not any("listening" in line for line in d.lines), d.lines
    taken = socket.create_server(("127.0.0.1", busy))
    d = Daemon(FEW + mirror_table("missing", away) + receiver_table("x", busy)).end(2, "[[mirror]] missing: file", number=None)
    assert not any("listen" in line for line in d.lines), d.lines # nothing was opened
    d = Daemon(FEW + mirror_table("f", away) + receiver_table("x", busy)).end(5, "cannot listen on", number=None)
    assert not any("mirror" in line or "is down" in line for line in d.lines), d.lines
    taken.close()
    d = Daemon(FEW + "".join("[%s]\nenabled = false\n" % layer for layer in layers) + table).await_line("started: 1 mirror, 1 receiver")
    assert "listening" in d.lines[0], d.lines
    await_content("in/.f.dxwan-part", b"content")
    d.end()
    assert read("in/f") == b"content"
    ends = [line.split()[0] for line in d.lines if line.endswith(": ended")]
    assert ends == ["mirror", "receiver"], d.lines


def mirror_receiver(on_region, on_round):
    """behave() of a receiver by hand: functions of a tag or round give the answers."""
    def behave(s, done):
        for opcode, flags, sequence, payload in frames_of(s):
            if opcode == 0x30:
                s.sendall(frame(0x31, b"receiver" + struct.pack("<Q", 0), 0, sequence))
            elif opcode == 0xff and (kind := struct.unpack("<H", payload[:2])[0]) in (0x8001, 0x8002, 0x8004):
                s.sendall((on_round if kind == 0x8004 else on_region)(struct.unpack("<I", payload[6:10])[0]))
    return behave


def case_dm_6_every_error_has_its_name():
    """Each error of DWCP, provoked: its name is in the message and counted in dwcp_amst_errors_total."""
    receivers, where = mirror_receivers(), free_ports(1)[0]
    wanted = {"STREAM_CREATION_FAILED": "away", "CIRCUIT_OPEN": "away", "STREAM_CLOSED": "fails", "NETWORK_TIMEOUT": "answers_nothing",
              "DECOMPRESSION_FAILED": "differs_for_ever", "INVALID_CONFIG": "gone"}
    head = (FEW.replace("[transport]", "[transport]\ntimeout_ms = 1000") + "[recovery]\nbackoff_ms = 200\n[breaker]\nfailures = 3\n"
            "[metrics]\naddress = '127.0.0.1:%d'\ninterval_ms = 100\n" % where)

    def await_count(name, mirror):
        deadline = time.time() + PATIENCE
        while metrics_of(where)['dwcp_amst_errors_total{mirror="%s",error_type="%s"}' % (mirror, name)] < 1:
            assert time.time() < deadline, (name, d.lines, metrics_of(where))
            time.sleep(0.05)
    for name in set(wanted.values()):
        write(name, b"content " * (3 * REGION // 8))
    away, = free_ports(1)
    with contextlib.ExitStack() as stack:
        text = mirror_table("away", away) + mirror_table("gone", away + 1)
        for name in "fails", "answers_nothing", "differs_for_ever":
            text += mirror_table(name, stack.enter_context(fake_receiver(mirror_receiver(*receivers[name][:2]))))
        d = Daemon(head + text).await_line("started")
        d.await_line("mirror gone: STREAM_CREATION_FAILED: failed 1 time in a row")
        os.unlink("gone")
        for name, mirror in wanted.items():
            d.await_line("mirror %s: %s: " % (mirror, name))
            await_count(name, mirror)
        d.end(-signal.SIGKILL, number=signal.SIGKILL)
    d = Daemon(head + mirror_table("fails", away), env=preload("void *ZSTD_createCCtx(void) { return NULL; }")).await_line("started")
    d.await_line("zstd cannot get its memory")
    d.await_line("mirror fails: COMPRESSION_FAILED: failed 1 time in a row")
    await_count("COMPRESSION_FAILED", "fails")
    d.end(-signal.SIGKILL, number=signal.SIGKILL)


def case_am_7_socket_options():
    """What the system is asked for, for each connection of a daemon: no delay, a keep-alive message after 30 s, buffers of 16 MiB,
    the congestion control by its name."""
    shim = preload("""#include <netinet/tcp.h>
        #include <stdio.h>
        #include <sys/socket.h>
        int setsockopt(int f, int level, int option, const void *value, socklen_t size)
        {
            FILE *out = fopen("options", "a");
            if (option != TCP_CONGESTION && out) fprintf(out, "%d %d %d\\n", level, option, *(const int *)value);
            else if (out) fprintf(out, "%d %d %.*s\\n", level, option, (int)size, (const char *)value);
            if (out) fclose(out);
            return (int)syscall(SYS_setsockopt, f, level, option, value, size);
        }""")
    write("f", content := os.urandom(1000))
    port, = free_ports(1)
    head = "[transport]\nmin_streams = 1\ninitial_streams = 2\nmax_streams = 2\ncongestion_control = 'reno'\n"
    d = Daemon(head + receiver_table("r", port) + mirror_table("f", port), env=shim).await_line("started")
    await_content("in/.f.dxwan-part", content)
    d.end()
    asked = read("options").decode().splitlines()
    tcp, keep_idle, congestion = socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, socket.TCP_CONGESTION
    for line in ((tcp, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (tcp, keep_idle, 30), (tcp, congestion, "reno"),
                 (socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 20), (socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)):
        assert asked.count("%d %d %s" % line) >= 2, (line, asked)
    assert read("in/f") == content


def case_am_9_w_58_an_idle_stream_is_healthy_and_a_closed_one_is_not():
    """Streams with nothing to send live on beyond the timeout, and the probe takes no byte of what follows; one that the other side closes
    is counted as lost at once, and opened again."""
    write("f", content := bytearray(os.urandom(2 * REGION)))
    where, = free_ports(1)
    r = receive("--json")
    p = Proxy(r.port, 1)
    head = FEW.replace("= 4", "= 2").replace("min_streams = 1", "min_streams = 2").replace("[transport]", "[transport]\ntimeout_ms = 1000")
    d = Daemon(head + "[health]\ninterval_ms = 100\n[metrics]\ninterval_ms = 100\naddress = '127.0.0.1:%d'\n" % where
               + mirror_table("f", p.port, every_s=4)).await_line("started")
    await_content("in/.f.dxwan-part", bytes(content[-100:]))
    lost = lambda: metrics_of(where)['dwcp_amst_streams_total{mirror="f",result="lost"}']
    deadline = time.time() + PATIENCE
    while metrics_of(where)['dwcp_migration_rounds_total{mirror="f"}'] < 1:
        assert time.time() < deadline, d.lines
        time.sleep(0.05)
    before = p.bytes
    time.sleep(3)
    assert lost() == 0 and p.bytes > before + 2 * 10 * 8 and p.connections == 2, (lost(), p.bytes - before, p.connections)
    p.cut_all()
    while lost() < 2 or metrics_of(where)['dwcp_amst_streams_active{mirror="f"}'] < 2:
        assert time.time() < deadline, metrics_of(where)
        time.sleep(0.05)
    with open("f", "r+b") as f: # not truncated meanwhile
        f.write(b"after the rest")
    content[:14] = b"after the rest"
    await_content("in/.f.dxwan-part", b"after the rest")
    d.end()
    r.end()
    p.close()
    assert read("in/f") == content and json.loads(r.out)["nacks"] == 0


def case_dm_7_tiers_states_and_modes():
    """The tier of a path follows from what was measured; a stream is saturated while the path takes no more, idle when there is nothing to
    send, and closed afterwards. The mode is TCP; others are refused by name."""
    write("f", os.urandom(8 * REGION))
    port, where = free_ports(2)
    r = receive("--json")
    for delay in (0, 0.03, 0.1):
        p = Proxy(r.port, 1, delay=(delay, delay))
        told = json.loads(Run("probe", "127.0.0.1:%d" % p.port, "--streams", 1, "--seconds", 1, "--json").end().out)
        p.close()
        rtt, rate = told["rtt_us"], told["bytes_per_second_1"]
        assert rtt >= 2000000 * delay
        tier = 1 if rtt < 10000 and rate > 1250000000 else 2 if rtt < 50000 and rate > 125000000 else 3 if rtt < 150000 else 4
        assert told["tier"] == tier, told
    text = Run("probe", "127.0.0.1:%d" % r.port, "--streams", 1, "--seconds", 1).end().out
    assert "\ntier " in text and " of [compression] in a configuration" in text, text
    p = Proxy(r.port, 1, rate=1000000)
    one = "[transport]\nmode = 'tcp'\nmin_streams = 1\ninitial_streams = 1\nmax_streams = 1\nsend_buffer_bytes = 65536\n"
    d = Daemon(one + "[metrics]\ninterval_ms = 100\naddress = '127.0.0.1:%d'\n" % where + mirror_table("f", p.port)).await_line("started")
    deadline = time.time() + PATIENCE

    def await_state(number):
        while metrics_of(where).get('dwcp_amst_stream_state{mirror="f",stream_id="0"}') != number:
            assert time.time() < deadline, metrics_of(where)
            time.sleep(0.02)
    await_state(2)
    p.rate = None
    await_state(0)
    p.target = 1 # nobody listens there
    p.cut_all()
    await_state(3)
    p.target = r.port
    await_state(0)
    d.end()
    r.end()
    p.close()
    assert read("in/f") == read("f")
    for mode in ("rdma", "hybrid"):
        check_config("[transport]\nmode = '%s'\n" % mode + receiver_table("r", port), 1, "unsupported: '%s'; this version has 'tcp'" % mode)


def case_dm_8_disabled_is_a_plain_copy():
    """Switched off, a file is copied whole each time: over one connection, without compression or differences."""
    write("f", content := bytearray(b"compressible " * 60000))
    r = receive("--json")
    d = Daemon("enabled = false\n" + mirror_table("f", r.port)).await_line("started: 1 mirror, 0 receivers; plain copies")
    await_bytes("in/.f.dxwan-part", len(content))
    time.sleep(0.5)
    content[5:12] = b"changed"
    with open("f", "r+b") as f: # not truncated meanwhile
        f.write(content)
    d.end()
    r.end()
    told = json.loads(r.out)
    assert read("in/f") == content
    assert told["record_bytes"] >= len(content) + REGION, told


def refused_by(d, where):
    return {reason: metrics_of(where)['dwcp_receiver_refused_total{receiver="r",reason="%s"}' % reason] for reason in ("tls", "join", "busy", "file")}


def case_daemon_names_refused_senders_once_in_a_period():
    """Hundreds of connections that are refused, of one sender and of many: one line for each sender and reason, at most 64 and one for the others, and
    their counts when the period is over; the metrics have each of them. What is said again in the next period is the count only."""
    Certificates()
    port, where = free_ports(2)
    # Once the file `later` is there, the clock is 61 s ahead.
    shim = preload("""int clock_gettime(clockid_t clock, struct timespec *t)
        {
            int result = (int)syscall(SYS_clock_gettime, clock, t);
            if (clock == CLOCK_MONOTONIC && !access("later", F_OK)) t->tv_sec += 61;
            if (clock == CLOCK_MONOTONIC && !access("last", F_OK)) t->tv_sec += 61;
            return result;
        }""")
    tls = FEW + "tls_cert = 'server.crt'\ntls_key = 'server.key'\ntls_ca = 'ca.crt'\n[metrics]\naddress = '127.0.0.1:%d'\n" % where
    d = Daemon(tls + receiver_table("r", port, out="in"), env=shim).await_line("started")

    def plain(source, count):
        """Connections that do not speak TLS, each until the receiver has closed it."""
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)) as s:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    while s.recv(100):
                        pass
    said = lambda text: [line for line in d.lines if text in line]
    refusals = lambda: [line for line in d.lines if ": TLS: " in line or "other senders" in line or "counted together" in line]
    plain("127.0.0.1", 300)
    d.await_line("dxwan: 127.0.0.1: TLS: it does not speak TLS")
    time.sleep(0.2)
    assert len(refusals()) == 1 and refused_by(d, where)["tls"] == 300, d.lines
    Run("send", "ca.crt", "127.0.0.1:%d" % port, *TRUST, "--timeout", 2, "--streams", 32).end(3) # another reason of the same sender
    d.await_line("dxwan: 127.0.0.1: TLS: it has no certificate")
    for i in range(100):
        plain("127.0.1.%d" % (i + 1), 2)
    d.await_line("dxwan: 64 senders were refused within 60 s; others are counted together")
    time.sleep(0.2)
    reasons = len(said("127.0.0.1: TLS: ")) # two, or three if a handshake was cut
    assert len(refusals()) == 66 and len(said("127.0.1.")) == 65 - reasons, d.lines # 64 places, the first other one, and what follows from it
    count = refused_by(d, where)["tls"]
    assert count >= 501, count
    write("later", b"")
    d.await_line("dxwan: 127.0.0.1: TLS: it does not speak TLS: 299 more in 6")
    d.await_line("dxwan: other senders: refused: ")
    d.await_line("dxwan: 127.0.1.1: TLS: it does not speak TLS: 1 more in 6")
    ends = len(said(" more in 6"))
    assert ends == 1 + 64 - reasons + 1 + sum(" more in " in line for line in said("127.0.0.1: TLS: it has no") + said("127.0.0.1: TLS: it left")), d.lines
    assert len(said("other senders: refused: ")) == 1, d.lines
    plain("127.0.0.1", 7)
    time.sleep(0.2)
    assert len(said(" more in ")) == ends and len(said("127.0.0.1: TLS: it does not speak TLS")) == 2, d.lines
    write("last", b"")
    d.await_line("dxwan: 127.0.0.1: TLS: it does not speak TLS: 7 more in 6")
    plain("127.0.0.1", 1)
    plain("127.0.3.1", 2) # a place is free again
    d.await_line("dxwan: 127.0.3.1: TLS: it does not speak TLS")
    d.end()
    assert any(line.startswith("dxwan: 127.0.3.1: TLS: it does not speak TLS: 1 more in ") for line in d.lines), d.lines # the end of the daemon ends a period


def case_daemon_says_once_that_a_file_is_refused():
    """A file that exists, offered again and again over 32 connections; names that are not allowed; a second sender while one is received."""
    port, where = free_ports(2)
    write("f", b"new")
    write("in/f", b"old")
    d = Daemon("drain_s = 1\n" + FEW + "[metrics]\naddress = '127.0.0.1:%d'\n" % where + receiver_table("r", port)).await_line("started")
    for n in range(4):
        Run("send", "f", "127.0.0.1:%d" % port, "--streams", 32).end(6, "exists; the receiver replaces it with --force only")
    said = lambda text: sum(text in line for line in d.lines)
    time.sleep(0.5)
    assert said("in/f: exists") == 1 and said("it waits for the next sender") == 1 and len(d.lines) == 4, d.lines
    assert refused_by(d, where)["file"] >= 4, refused_by(d, where)
    for n in range(50):
        for name in (b"../x", b"a/b"):
            with connect(port) as s:
                s.sendall(join(name))
                list(frames_of(s))
    assert refused_by(d, where)["join"] == 100
    held = connect(port)
    held.sendall(join(b"g"))
    held.recv(100)
    for n in range(40):
        with connect(port) as s:
            s.sendall(join(b"h"))
            list(frames_of(s))
    assert refused_by(d, where)["busy"] == 40
    time.sleep(0.2)
    lines = [line for line in d.lines if ": refused: " in line]
    assert sorted(lines) == ["dxwan: 127.0.0.1: refused: another file is being received", "dxwan: 127.0.0.1: refused: the name of the file begins with a dot",
                             "dxwan: 127.0.0.1: refused: the name of the file has a slash"], d.lines
    held.close()
    d.kill(signal.SIGTERM)
    d.end(3, number=signal.SIGTERM)
    for text in ("another file is being received: 39 more in ", "the name of the file has a slash: 49 more in ", "exists; the receiver replaces it with --force only: "):
        assert said("dxwan: 127.0.0.1: refused: " + text) == 1, (text, d.lines)
    assert read("in/f") == b"old"


def case_recv_says_once_that_a_sender_is_refused():
    """The same for the command, whose counts are said at its end."""
    c = Certificates()
    write("f", b"content")
    r = receive(*c.own("server"), *TRUST)
    for n in range(3):
        Run("send", "f", "127.0.0.1:%d" % r.port, *TRUST, "--timeout", 2, "--streams", 32).end(3)
    Run("send", "f", "127.0.0.1:%d" % r.port, *TRUST, *c.own("client")).end()
    r.end(0, "dxwan: 127.0.0.1: TLS: it has no certificate\n")
    lines = r.errors.splitlines()
    count, = [int(line.split(": ")[4].split()[0]) for line in lines if line.startswith("dxwan: 127.0.0.1: TLS: it has no certificate: ")]
    assert count >= 5 and len(lines) <= 4, lines # a handshake may be cut when the sender ends


def case_dm_5_reload():
    """SIGHUP: what is new starts, what is gone ends with its last round, what runs is not touched; a configuration that is wrong,
    or changes what runs, or cannot start, changes nothing."""
    dice = random.Random(SEED)
    ports = free_ports(4)
    for name in "abc":
        write(name, dice.randbytes(200000))
    parts = {n: receiver_table("r" + n, p) + mirror_table(n, p) for n, p in zip("abc", ports)}
    config = lambda names, head=FEW, more="": head + "".join(parts[n] for n in names) + more
    d = Daemon(config("ab")).await_line("started: 2 mirrors, 2 receivers")
    await_bytes("in/.a.dxwan-part", 200000)

    def reload(text, says, times=1):
        with open("c.toml", "w") as f: # the same file
            f.write(text)
        d.kill(signal.SIGHUP)
        d.await_line(says, times)
    reload("x = 1\n", "INVALID_CONFIG: c.toml:1: x: no such key")
    reload(config("ab", FEW.replace("= 4", "= 8")), "[transport] cannot change while the daemon runs; nothing was changed")
    reload(config("ab").replace('file = "a"', 'file = "c"'), "a cannot change while it runs; nothing was changed")
    reload(config("abc", more=mirror_table("missing", 1)), "INVALID_CONFIG: c.toml: [[mirror]] missing: file missing: No such file")
    d.await_line("c.toml is not in force", 4)
    socket.create_server(("127.0.0.1", ports[2])).close() # what was begun for c is rolled back
    write("fresh", config("bc").encode())
    os.replace("fresh", "c.toml") # as editors do
    d.kill(signal.SIGHUP)
    d.await_line("reloaded: ")
    d.await_line("mirror a: ended")
    await_bytes("in/.c.dxwan-part", 200000)
    assert read("in/a") == read("a")
    Run("daemon", "--config", "c.toml").end(6, "ALREADY_STARTED")
    d.end()
    assert all(read("in/" + n) == read(n) for n in "abc")


def case_daemon_says_once_that_a_destination_is_down():
    """Two mirrors of one: one line when it goes down, one when it is back, and the same again."""
    port, = free_ports(1)
    for name in "xy":
        write(name, bytes(1000))
    d = Daemon(FEW.replace("[transport]", "[transport]\ntimeout_ms = 30000") + mirror_table("x", port) + mirror_table("y", port))
    down, back = "destination 127.0.0.1:%d is down: Connection refused" % port, "destination 127.0.0.1:%d is back" % port
    d.await_line(down)
    time.sleep(0.5)
    for times in (1, 2):
        r = Run("recv", "127.0.0.1:%d" % port, "--out", "in")
        d.await_line(back, times)
        assert sum("is down" in line for line in d.lines) == times, d.lines
        if times == 1:
            r.kill()
            r.end(-signal.SIGKILL)
            d.await_line(down, 2)
    d.end(-signal.SIGKILL, number=signal.SIGKILL)
    r.kill()
    r.end(-signal.SIGKILL)


def case_dm_4_breaker_lets_one_probe_through():
    """Three mirrors of one destination that refuses connections. After some failures it is left alone; then one of the three
    probes, and when that works all go on."""
    dice = random.Random(SEED)
    port, = free_ports(1)
    for name in "xyz":
        write(name, dice.randbytes(100000))
    config = (FEW.replace("[transport]", "[transport]\ntimeout_ms = 1000") + "[recovery]\nbackoff_ms = 50\n[breaker]\nfailures = 5\nopen_ms = 1500\n"
              + "".join(mirror_table(n, port) for n in "xyz"))
    attempts = []
    server = socket.create_server(("127.0.0.1", port), backlog=300)
    answers = threading.Event()

    def serve(s):
        with contextlib.suppress(OSError, struct.error):
            for opcode, flags, sequence, payload in frames_of(s):
                if opcode == 0x30:
                    attempts.append((time.time(), bytes(payload[3:])))
                    if not answers.is_set():
                        return s.close()
                    s.sendall(frame(0x31, b"receiver" + struct.pack("<Q", 0), 0, sequence))
                elif opcode == 0xff:
                    kind, era, tag = struct.unpack("<HII", payload[:10])
                    s.sendall(frame(0xff, struct.pack("<HIB", 0x8005 if kind == 0x8004 else 0x8003, tag, 0)))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    d = Daemon(config)
    d.await_line("STREAM_CREATION_FAILED: failed ", 5)
    for name in "xyz":
        d.await_line("mirror %s: CIRCUIT_OPEN: 127.0.0.1:%d failed " % (name, port))
    time.sleep(0.2)
    before = len(attempts)
    time.sleep(0.7)
    assert len(attempts) == before, "it was tried while open"
    d.await_line("STREAM_CREATION_FAILED: failed ", 7) # the probe's, after those of the three that were under way
    probes = {name for at, name in attempts[before:]}
    assert len(probes) == 1, "%s probed" % probes
    answers.set()
    deadline = time.time() + PATIENCE
    while len({name for at, name in attempts[before:]}) < 3 and time.time() < deadline:
        time.sleep(0.02)
    assert len({name for at, name in attempts[before:]}) == 3, "the breaker stays open: %s" % d.lines
    d.end()
    server.close()


def case_dm_3_recovery_with_backoff():
    """A receiver that is away: tries after 1, 2, 4 steps and no sooner; when it comes, the mirror goes on, and errors have names."""
    write("f", content := os.urandom(300000))
    port, where = free_ports(2)
    more = "[recovery]\nbackoff_ms = 200\n[breaker]\nfailures = 100\n[metrics]\naddress = '127.0.0.1:%d'\n" % where
    d = Daemon(FEW.replace("[transport]", "[transport]\ntimeout_ms = 1000") + more + mirror_table("f", port))
    for n, seconds in ((1, "0.2"), (2, "0.4"), (3, "0.8"), (4, "0.8")):
        d.await_line("mirror f: STREAM_CREATION_FAILED: failed %d time%s in a row; again in %s s" % (n, "s" if n > 1 else "", seconds))
    r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--wait", PATIENCE).listening()
    await_bytes("in/.f.dxwan-part", len(content))
    deadline = time.time() + PATIENCE
    while metrics_of(where)['dwcp_migration_rounds_total{mirror="f"}'] < 1: # a confirmed round ends the failures in a row
        assert time.time() < deadline, d.lines
        time.sleep(0.05)
    r.kill()
    r.end(-9)
    d.await_line(": failed 1 time in a row", 2)
    assert "mirror f: NETWORK_TIMEOUT: failed 1 time in a row" in str(d.lines), d.lines
    r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--wait", PATIENCE).listening()
    await_bytes("in/.f.dxwan-part", len(content))
    time.sleep(0.5)
    d.end()
    r.end()
    assert read("in/f") == content


def metrics_of(port):
    """name{labels} -> value, from GET /metrics."""
    s = connect(port)
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    text = b""
    while more := s.recv(65536):
        text += more
    head, body = text.decode().split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 200 "), head
    lines = body.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(names)) == len(names) and all(line.startswith("# ") or line.split("{")[0].split(" ")[0].startswith("dwcp_") for line in lines), body
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[0] != "#"}


def case_am_12_hd_13_metrics():
    """W-61: Per stream and in total, by the names of DWCP; they agree with what the receiver counted, and with what happened."""
    dice = random.Random(SEED)
    write("f", content := dice.randbytes(4 * REGION + 7))
    port, away = free_ports(2)
    where, = free_ports(1)
    r = receive("--json")
    p = Proxy(r.port, 1)
    more = "[metrics]\ninterval_ms = 100\naddress = '127.0.0.1:%d'\n" % where
    two = FEW.replace("= 4", "= 2").replace("min_streams = 1", "min_streams = 2") # always two
    d = Daemon(two.replace("[transport]", "[transport]\ntimeout_ms = 5000") + more + mirror_table("f", p.port) + mirror_table("lost", away, file="f"))
    deadline = time.time() + PATIENCE
    d.await_line("mirror lost: STREAM_CREATION_FAILED")
    def get(name, mirror="f", more=""):
        return now['dwcp_%s{mirror="%s"%s}' % (name, mirror, more)]
    while time.time() < deadline:
        now = metrics_of(where)
        if get("migration_rounds_total") >= 1 and get("amst_streams_active") == 2:
            break
        time.sleep(0.05)
    assert get("hde_bytes_original_total") == len(content) and get("hde_delta_hit_rate_percent") == 0, now
    assert sum(get("amst_bytes_sent_total", more=',stream_id="%d"' % i) for i in (0, 1)) == get("hde_bytes_compressed_total") >= len(content)
    assert get("amst_latency_seconds_count") == 5 == get("amst_latency_seconds_bucket", more=',le="+Inf"') and get("amst_latency_seconds_sum") > 0
    assert get("system_component_health") == 2 and get("circuit_breaker_state") == 0 and now["dwcp_system_config_enabled"] == 1
    assert get("system_component_health", "lost") == 0 and get("amst_errors_total", "lost", ',error_type="STREAM_CREATION_FAILED"') >= 1
    content = content[:9] + b"x" + content[10:]
    with open("f", "r+b") as f: # not truncated meanwhile
        f.seek(9)
        f.write(b"x")
    p.cut_all()
    while time.time() < deadline and (get("hde_delta_hit_rate_percent") == 0 or get("amst_streams_total", more=',result="lost"') < 2):
        time.sleep(0.05)
        now = metrics_of(where)
    assert get("amst_streams_total", more=',result="lost"') == 2 and get("amst_streams_total", more=',result="success"') >= 2, now
    assert 0 < get("hde_delta_hit_rate_percent") < 50 and get("hde_bytes_compressed_total") < len(content) + 2000, now
    s = connect(where)
    s.sendall(b"GET /x HTTP/1.1\r\n\r\n")
    assert s.recv(100).startswith(b"HTTP/1.1 404 ")
    d.end(3) # the mirror that never reached its receiver
    r.end()
    p.close()
    assert read("in/f") == content


def case_am_1_am_11_streams_follow_the_link():
    """AM-5, by what streams deliver and not by a formula: A path of 4 MB/s that gives each connection 600 kB/s, then 200 kB/s: a mirror that begins with two streams opens more until
    they carry no more, and again after the change; the time is printed. Nothing is lost when streams come and go."""
    size, where = 256 * REGION, free_ports(1)[0]
    write("f", b"")
    os.truncate("f", size)
    r = receive("--json")
    p = Proxy(r.port, 1, delay=(0.005, 0.01), rate=600000, total=4000000)
    # Noise against other noise takes the coder 40 ms a region, and the processor would be the limit.
    head = "drain_s = 300\n[transport]\nmin_streams = 2\ninitial_streams = 2\nmax_streams = 32\nstream_scaling_factor = 2\n[compression]\ndelta = false\n[metrics]\ninterval_ms = 100\naddress = '127.0.0.1:%d'\n"
    d = Daemon(head % where + mirror_table("f", p.port)).await_line("started")
    ending, dice = threading.Event(), random.Random(SEED)

    def rewrite():
        with open("f", "r+b", buffering=0) as f:
            while not ending.is_set():
                os.pwrite(f.fileno(), dice.randbytes(REGION), dice.randrange(256) * REGION)
                time.sleep(0.02)

    thread = threading.Thread(target=rewrite, daemon=True)
    thread.start()

    def rate_after(until, bytes_per_second, streams):
        """Seconds until a second carries that much, over so many streams."""
        began = time.time()
        while time.time() - began < until:
            before, at = p.bytes, time.time()
            time.sleep(1)
            wanted = metrics_of(where)['dwcp_amst_streams_wanted{mirror="f"}']
            if (p.bytes - before) / (time.time() - at) >= bytes_per_second and wanted >= streams:
                return time.time() - began - 1
        raise AssertionError("no second of %d carries %d bytes; %s" % (until, bytes_per_second, metrics_of(where)))
    first = rate_after(15, 2000000, 4)
    time.sleep(4) # failed trials make pauses
    p.rate = 200000
    time.sleep(0.3)
    took = rate_after(15, 1700000, 12)
    now = metrics_of(where)
    lost = now['dwcp_amst_streams_total{mirror="f",result="lost"}']
    p.rate = p.total = None
    ending.set()
    thread.join()
    d.end()
    r.end()
    p.close()
    assert read("in/f") == read("f")
    os.write(1, ("     2 MB/s after %.1f s; 1.7 MB/s %.1f s after the change; %d streams closed meanwhile\n" % (first, took, lost)).encode())


def case_am_1_send_follows_the_link():
    """AM-5 for `send`, which begins with 16 streams: a path of 4 MB/s that gives each connection 100 kB/s, then 400 kB/s, then 60 kB/s. It opens as many as carry the path, again after
    each change, and never with --streams."""
    size = 240 << 20
    write("f", random.Random(SEED).randbytes(1 << 20) * (size >> 20))
    for fixed in (16, None):
        r = receive("--force")
        p = Proxy(r.port, 1, delay=(0.005, 0.01), rate=100000, total=4000000)
        s = Run("send", "f", "127.0.0.1:%d" % p.port, "--json", *(("--streams", fixed) if fixed else ()))

        def rate_after(until, bytes_per_second):
            """Seconds until a second carries that much."""
            began = time.time()
            while time.time() - began < until:
                before, at = p.bytes, time.time()
                time.sleep(1)
                if (p.bytes - before) / (time.time() - at) >= bytes_per_second:
                    return time.time() - began - 1
            return None
        first = rate_after(6 if fixed else 20, 3200000)
        if fixed:
            assert first is None and len(p.open) <= 2 * fixed + 2, (first, len(p.open))
        else:
            assert first is not None, "no second of 20 carried 3.2 MB/s"
            opened = p.connections
            assert opened >= 32, opened
            p.rate = 400000
            assert (second := rate_after(20, 3200000)) is not None
            p.rate = 60000
            time.sleep(0.3)
            assert (third := rate_after(20, 2900000)) is not None
        p.rate = p.total = None
        s.end()
        r.end()
        p.close()
        told = json.loads(s.out)
        assert read("in/f") == read("f") and told["connections_opened"] >= told["streams"] - 1, told
        assert told["streams"] == fixed if fixed else 4 <= told["streams"] <= 256, told
    os.write(1, ("     3.2 MB/s after %.1f s, %.1f s after faster connections, 2.9 MB/s %.1f s after slower ones\n" % (first, second, third)).encode())


def case_am_1_round_trips_of_a_transfer():
    """A path with a round trip of 1 s: a file that fits into the first windows takes one to connect, which a proxy does at once, one for the data, and nothing after its
    confirmation: a sender that waits for an answer before the data, or for the other end to close, takes one more each time, whatever else the machine does."""
    write("f", content := random.Random(SEED).randbytes(16 * 16384))
    took = []
    while not took or (took[-1] >= 1.8 and len(took) < 8):
        r = receive("--force")
        p = Proxy(r.port, 1, delay=(0.5, 0.5))
        began = time.time()
        s = Run("send", "f", "127.0.0.1:%d" % p.port, "--json").end()
        took.append(time.time() - began)
        r.end()
        p.close()
        assert read("in/f") == content
    assert took[-1] < 1.8, (took, s.out)


def case_dm_1_drain_has_a_limit():
    """SIGTERM while a receiver has a transfer that rests: it is completed if it can be, and given up after drain_s; a second signal
    ends at once. The partial file stays."""
    for second in (False, True):
        port, = free_ports(1)
        d = Daemon("drain_s = %d\n" % (60 if second else 1) + receiver_table("r", port)).await_line("started")
        write("f", bytes(3000000))
        s = Run("send", "f", "127.0.0.1:%d" % port, "--rate", 300000)
        time.sleep(1)
        began = time.time()
        d.kill(signal.SIGTERM)
        time.sleep(0.5)
        assert d.process.poll() is None
        d.end(3, "interrupted; the partial file is kept", number=signal.SIGTERM if second else None)
        assert time.time() - began < 8
        s.end(3, "was ended; send again to resume")
        only("in", ".f.dxwan-note", ".f.dxwan-part")


# ---- cases: records of a mirror
def record_of(payload):
    """Region number, and kind, coding, state size, dictionary, hash, baseline hash and size of a record in a message of a region."""
    number, record = struct.unpack("<Q", payload[10:18])[0], payload[22:]
    numbers, at = [], 12
    while len(numbers) < 3:
        n, shift = 0, 0
        while record[at] & 128:
            n, shift, at = n | (record[at] & 127) << shift, shift + 7, at + 1
        numbers.append(n | record[at] << shift)
        at += 1
    assert record[:4] == b"DXH1"
    size = 32 >> (record[7] >> 2 & 3) # of a hash
    return number, record[4], record[5], numbers[0], numbers[2], record[at:at + size], record[at + size:at + 2 * size], len(record)


def case_hd_1_hd_2_hd_5_hd_10_records_say_what_they_are():
    """W-53: The first record of a region is whole, each later one a difference against the state of the record before, by its hash; what does
    not compress is stored. No record needs an older one, so no whole state is due after some time or number of differences."""
    text, noise = b"".join(b"%d " % n for n in range(60000))[:REGION], random.Random(SEED).randbytes(REGION)
    write("f", text + noise + b"short" * 60)
    records, rounds = [], []

    def behave(s, done):
        for opcode, flags, sequence, payload in frames_of(s):
            if opcode == 0x30:
                s.sendall(frame(0x31, b"receiver" + struct.pack("<Q", 0), 0, sequence))
            elif opcode == 0xff:
                kind, era, tag = struct.unpack("<HII", payload[:10])
                if kind == 0x8001:
                    records.append(record_of(payload))
                if kind == 0x8004: # what follows the answer belongs to the next round
                    with open("f", "r+b") as f:
                        for at in (1000, REGION + 1000):
                            if len(rounds) < 4:
                                os.pwrite(f.fileno(), b"changed in %d" % (0 if len(rounds) == 3 else len(rounds)), at)
                    rounds.append(len(records))
                s.sendall(frame(0xff, struct.pack("<HIB", 0x8005 if kind == 0x8004 else 0x8003, tag, 0)))

    with fake_receiver(behave) as port:
        s = Run("mirror", "f", "127.0.0.1:%d" % port, "--streams", 1, "--every", 1)
        deadline = time.time() + PATIENCE
        while len(rounds) < 5 and time.time() < deadline:
            time.sleep(0.02)
        s.kill(signal.SIGTERM)
        s.end()
    assert rounds[:5] == [3, 5, 7, 9, 11], rounds
    for number, kind, coding, size, dictionary, digest, baseline, length in records[:3]:
        assert kind == 1 and size == (REGION, REGION, 300)[number] and dictionary == 0
        assert (coding == 0, length < size) == ((False, True), (True, False), (True, False))[number], records[:3]
    for number in (0, 1):
        mine = [r for r in records if r[0] == number]
        for before, r in zip(mine, mine[1:]):
            assert r[1] in (2, 3) and r[6] == before[5] != r[5] and r[7] < 300, (before, r)
        assert mine[1][5] == mine[4][5], "the same state has another hash"


def case_hd_4_hd_16_moved_and_inserted_bytes_are_found():
    """W-50, W-52: A few bytes inserted at the front move all others; blocks of 4 KiB trade places; bytes change where they are."""
    content = bytearray(random.Random(SEED).randbytes(4 * REGION))
    write("f", content)
    r = receive("--json")
    s = mirror(r, "--every", 1, "--streams", 2)
    await_content("in/.f.dxwan-part", bytes(content[-100:]))
    content[:0] = b"inserted at the front, marker 1"
    write("g", content)
    with open("f", "r+b") as f: # not truncated meanwhile
        f.write(content)
    await_content("in/.f.dxwan-part", b"marker 1")
    for at in range(8192, REGION - 16384, 32768):
        content[at:at + 4096], content[at + 4096:at + 8192] = content[at + 4096:at + 8192], content[at:at + 4096]
    content[5000:5008] = b"marker 2"
    content[90000:90003] = bytes(b + more & 255 for b, more in zip(content[90000:90003], (1, -2, 1))) # the same Adler-32
    with open("f", "r+b") as f:
        f.write(content)
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert read("in/f") == content
    told = json.loads(s.out)
    assert told["record_bytes"] < 4 * REGION + 20000, told


def case_hd_1_whole_regions_refer_to_earlier_ones():
    """Regions of which every second one repeats the one before, but for its place: few of these travel. A receiver that lacks what a
    region refers to refuses it, and gets it by itself."""
    dice = random.Random(SEED)
    content = b"".join(block + block[5:] + b"12345" for block in (dice.randbytes(REGION) for _ in range(8)))
    write("f", content)
    for damaged in (False, True):
        if damaged:
            os.unlink("in/f") # else its regions are found there
        r = receive("--json", "--force")
        s = mirror(r, "--once", "--streams", 1, "--rate", "1M")
        if damaged:
            await_bytes("in/.f.dxwan-part", 6 * REGION)
            with open("in/.f.dxwan-part", "r+b") as f:
                for n in range(6):
                    os.pwrite(f.fileno(), b"damage", n * REGION + 9)
        s.end()
        r.end()
        assert read("in/f") == content, damaged
        told, heard = json.loads(s.out), json.loads(r.out)
        if not has_part("zstd"): # it makes the references
            continue
        assert told["regions_whole"] >= 16 and (heard["nacks"] > 0) == damaged, (told, heard)
        assert damaged or told["record_bytes"] < 14 * REGION, told # 8, where each is acknowledged before the next is encoded


def case_hd_7_nack_and_full_resend():
    """W-54: The copy changes under its receiver in two regions: it refuses differences from what it has not, and gets these regions whole. A
    receiver that was killed comes back with other content in two regions: only their pages that differ travel."""
    content = bytearray(random.Random(SEED).randbytes(6 * REGION))
    write("f", content)

    def damage(text):
        with open("in/.f.dxwan-part", "r+b") as f:
            for n in (1, 3):
                f.seek(n * REGION + 100)
                f.write(b"damage")
        with open("f", "r+b") as f:
            for n in (1, 3):
                f.seek(n * REGION)
                f.write(text)
                content[n * REGION:n * REGION + len(text)] = text

    for killed in (False, True):
        r = receive("--json")
        port = r.port
        s = mirror(r, "--every", 2, "--streams", 2)
        await_bytes("in/.f.dxwan-part", len(content))
        await_content("in/.f.dxwan-part", bytes(content[-100:]))
        time.sleep(0.5) # the round is verified: damage before that is found by its hash, and all regions are compared
        if killed:
            r.kill()
            r.end(-9)
        damage(b"second round %d" % killed)
        if killed:
            r = Run("recv", "127.0.0.1:%d" % port, "--out", "in", "--json", "--wait", PATIENCE).listening()
        await_content("in/.f.dxwan-part", bytes(content[REGION:REGION + 200]))
        await_content("in/.f.dxwan-part", bytes(content[3 * REGION:3 * REGION + 200]))
        s.kill(signal.SIGTERM)
        s.end()
        r.end()
        assert read("in/f") == content
        told, heard = json.loads(s.out), json.loads(r.out)
        if killed:
            assert heard["nacks"] == 0 and heard["regions_stored"] <= 4 and heard["record_bytes"] < 40000, (told, heard)
        else:
            assert heard["nacks"] == 2 and told["regions_whole"] == 8, (told, heard)
        os.unlink("in/f")


def case_hd_9_baselines_leave_and_memory_has_a_cap():
    """The baselines are a file on the disk, without a name: memory is the same for a large file, and those of regions that the file no
    longer has are gone."""
    write("f", content := random.Random(SEED).randbytes(70 << 20))
    r = receive("--json")
    s = mirror(r, "--every", 1, "--streams", 4)
    baselines = lambda: max(os.stat("/proc/%d/fd/%s" % (s.process.pid, n)).st_size for n in os.listdir("/proc/%d/fd" % s.process.pid)
                            if "(deleted)" in os.readlink("/proc/%d/fd/%s" % (s.process.pid, n)))
    deadline = time.time() + PATIENCE
    await_bytes("in/.f.dxwan-part", len(content))
    while baselines() < len(content) and time.time() < deadline:
        time.sleep(0.02)
    os.truncate("f", 1 << 20)
    while (baselines() > 1 << 20 or os.path.getsize("in/.f.dxwan-part") > 1 << 20) and time.time() < deadline:
        time.sleep(0.02)
    assert 0 < max(s.memory_kib(), r.memory_kib()) < MEMORY_MAX_KIB and baselines() == 1 << 20, (s.memory_kib(), r.memory_kib(), baselines())
    s.kill(signal.SIGTERM)
    s.end()
    r.end()
    assert read("in/f") == content[:1 << 20]


def case_hd_3_hd_15_lossless_in_every_mode():
    """W-55: Levels 0 to 3, without differences, and switched off: the same file while it changes; the highest level is smaller than the lowest."""
    dice = random.Random(SEED)
    modes = ["[compression]\nlevel = %d\n" % n for n in range(4)] + ["[compression]\ndelta = false\n"]
    content = bytearray(read(DXWAN)[:2 * REGION] + b"".join(b"%d\n" % (n * n) for n in range(20000)))
    write("f", content)
    runs = []
    for n, mode in enumerate([FEW + m for m in modes] + ["enabled = false\n"]):
        r = receive("--json", out="copy%d" % n)
        runs.append((r, Daemon(mode + mirror_table("f", r.port), path="c%d.toml" % n)))
    for n, _ in enumerate(runs):
        await_content(".copy%d.dxwan-part" % n, bytes(content[-100:]))
    with open("f", "r+b") as f:
        for _ in range(30):
            at, more = dice.randrange(len(content)), dice.randbytes(dice.randrange(1, 900))
            os.pwrite(f.fileno(), more, at)
            content[at:at + len(more)] = more
    sizes = []
    for n, (r, d) in enumerate(runs):
        d.end()
        r.end()
        assert read("copy%d" % n) == content, n
        sizes.append(json.loads(r.out)["record_bytes"])
    assert sizes[3] < sizes[0] < sizes[5] and sizes[4] < sizes[5] and sizes[5] >= len(content), sizes


def case_hd_12_the_level_follows_the_processor():
    """W-63: On a path that is faster than level 9, the level sinks if it may; else it stays. What arrives is the same."""
    port, fixed = free_ports(2)
    content = b"".join(read(DXWAN)[at:at + REGION - 100] + b"%100d" % at for at in range(0, 12000, 1000))
    write("f", content)
    runs = []
    for n, adaptive in enumerate(("true", "false")):
        where, = free_ports(1)
        r = receive("--json", out="copy%d" % n)
        d = Daemon(FEW + "[compression]\nlevel = 3\nadaptive = %s\n[metrics]\ninterval_ms = 100\naddress = '127.0.0.1:%d'\n" % (adaptive, where)
                   + mirror_table("f", r.port), path="c%d.toml" % n)
        await_content(".copy%d.dxwan-part" % n, content[-100:])
        deadline, now = time.time() + PATIENCE, {}
        while now.get('dwcp_migration_rounds_total{mirror="f"}', 0) < 1 and time.time() < deadline:
            time.sleep(0.05)
            now = metrics_of(where)
        runs.append((r, d, now['dwcp_hde_level{mirror="f"}']))
    for n, (r, d, level) in enumerate(runs):
        d.end()
        r.end()
        assert read("copy%d" % n) == content
        assert (level < 9) == (n == 0), [level for _, _, level in runs]


def case_hd_14_many_keys_at_once():
    """AM-14: Eight mirrors of one process, while a writer changes each file: every copy is its own file."""
    names, dice = ["f%d" % n for n in range(8)], random.Random(SEED)
    ports, text = free_ports(8), FEW
    for name, port in zip(names, ports):
        write(name, dice.randbytes(2 * REGION))
        text += receiver_table("r" + name, port) + mirror_table(name, port)
    d = Daemon(text).await_line("started: 8 mirrors, 8 receivers")
    writers = [Writer(name, dice.random(), pause=0.01) for name in names]
    for name in names:
        await_bytes("in/.%s.dxwan-part" % name, REGION)
    for w in writers:
        w.end()
    d.end()
    for name in names:
        assert read("in/" + name) == read(name), name
    only("in", *names)


def run_case(name, case):
    """One case in a directory of its own, in a process of its own. Exit status 0: passed."""
    work = tempfile.mkdtemp()
    os.chdir(work)
    os.mkdir("in")
    began = time.time()
    try:
        case()
        outcome, text = "ok", ""
    except Skip as e:
        outcome, text = "skip", ": %s" % e
    except BaseException as e:
        outcome, text = "FAIL", ": %s: %s" % (type(e).__name__, e)
    for r in list(running):
        r.process.kill()
        r.process.wait()
    used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) + time.process_time()
    os.write(1, ("%-4s %s (%.1f s, %.1f s of processor time)%s\n" % (outcome, name, time.time() - began, used, text)).encode())
    os.chdir(top)
    shutil.rmtree(work)
    os._exit({"ok": 0, "skip": 2}.get(outcome, 1))


def main():
    wanted = [a for a in sys.argv[1:] if a[0] != "-"]
    left_out = [a[1:] for a in sys.argv[1:] if a[0] == "-"]
    cases = [(n[5:], c) for n, c in globals().items() if n.startswith("case_")
             and (not wanted or any(w in n for w in wanted)) and not any(w in n for w in left_out)
             and n[5:] in os.environ.get("DX_CASES", n[5:]).split()]
    # Nearly all of a case is waiting for time limits, so several run at once; those that take longest begin first.
    cases.sort(key=lambda c: ("hostile" not in c[0] and "black" not in c[0] and "killed" not in c[0], c[0]))
    write(probe := tempfile.mktemp(), b"")
    if b"without toml++" in subprocess.run([DXWAN, "daemon", "--config", probe, "--check-config"], stderr=subprocess.PIPE).stderr:
        configured = ("dc_", "dm_", "am_", "daemon_", "mirror_tree_by_the_daemon", "mirror_like_by_the_daemon", "hd_3", "hd_12", "hd_14")
        for name, _ in cases:
            if name.startswith(configured):
                counts["skipped"] += 1
                print("skip %s: dxwan was built without toml++" % name)
        cases = [c for c in cases if not c[0].startswith(configured)]
    os.unlink(probe)
    pids = set()
    while cases or pids:
        if cases and len(pids) < CASES_AT_ONCE:
            name, case = cases.pop(0)
            pid = os.fork()
            if not pid:
                run_case(name, case)
            pids.add(pid)
            continue
        pid, status = os.wait()
        pids.discard(pid)
        counts[{0: "passed", 2: "skipped"}.get(os.waitstatus_to_exitcode(status), "failed")] += 1
    print("test_dxwan: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    sys.exit(counts["failed"] != 0)


main()
