#!/usr/bin/env python3
"""The clients of examples/clients/ conform to docs/formats/hbtp.md: the vectors of tests/vectors/hbtp.txt, with
their sessions, and both directions with the C side over real sockets (tests/readers/hbtp_peer.c). This tests the
Python client and starts hbtp_clients.mjs for the JavaScript one.
usage: hbtp_clients.py [FILTER]      the last line counts; DX_TEST_SEED=n: other choices; DX_TEST_RUNS=n multiplies their number"""
import logging, os, random, re, resource, shutil, socket, struct, subprocess, sys, threading, time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, TOP + "/examples/clients")
sys.dont_write_bytecode = True
import dx_hbtp

VECTORS = TOP + "/tests/vectors/hbtp.txt"
PEER = os.environ.get("HBTP_PEER", TOP + "/build/asan/hbtp_peer")
SEED = int(os.environ.get("DX_TEST_SEED", "0"))
OPERATIONS = 2000 * int(os.environ.get("DX_TEST_RUNS", "1"))
HELLO = bytes.fromhex("01 02 00 01 02 02 10 00 00 04 00 00 02 00 00 00 02 00 00 00 c8 00 00 00 03 04 00 0f 00 00 00")
counts = {"ok": 0, "FAIL": 0, "skip": 0}


def hex_bytes(words):
    return b"".join(bytes.fromhex(word.split("*")[0]) * int((word + "*1").split("*")[1]) for word in words)


def vectors():
    """[(name, [(word, rest of the words)])]"""
    blocks = re.split(r"\n\n+", re.sub(r"^#.*\n", "", open(VECTORS).read(), flags=re.M).strip())
    return [(block.split("\n")[0], [line.split() for line in block.split("\n")[1:]]) for block in blocks]


def without_texts(data):
    out = b""
    while data:
        opcode, flags, sequence, length = struct.unpack_from("<BBHI", data)
        payload, data = data[8:8 + length], data[8 + length:]
        if opcode in (dx_hbtp.ERROR, dx_hbtp.CLOSE, dx_hbtp.END, dx_hbtp.DRAIN):
            payload = payload[:4]
        out += struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload
    return out


class Program:
    """As the header of the vectors defines it, on a session without a connection."""

    def __init__(self, words, piece):
        self.piece = piece  # input comes in pieces of this size
        values = dict(payload=1000, requests=2, streams=2, credit=100, window=500, needs=0)
        values.update((name, int(value)) for name, value in (word.split("=") for word in words if "=" in word))
        self.session = s = dx_hbtp.Session(
            {1: lambda request: request.arguments, 2: self.fail, 3: self.never, 4: self.refuse}, {1: lambda stream: None},
            payload_max=values["payload"], requests_max=values["requests"], streams_max=values["streams"],
            credit=values["credit"], window=values["window"], needs=values["needs"], accepts="accepts" in words)
        s.run = self.run
        self.asked, self.ours, self.later, self.ended = {}, {}, {}, []
        if "greeted" in words:
            if not s.accepts:
                s.hello()
            s.feed(struct.pack("<BBHI", *((3, 4) if s.accepts else (0x31, 0)), 1, len(HELLO)) + HELLO)
            s.out.clear()

    @staticmethod
    def fail(request):
        raise ValueError("as the vectors say")

    @staticmethod
    def refuse(request):
        raise dx_hbtp.HbtpError(503)

    class Later(BaseException):
        pass

    def never(self, request):
        self.later[request.sequence] = request
        raise self.Later

    def run(self, work):
        try:
            work()
        except self.Later:
            pass

    def stream(self, number):
        return self.session.streams[abs(int(number)), int(number) > 0]

    def do(self, what, *words):
        s = self.session
        try:
            if what == "call":
                *arguments, last = words[1:]
                timeout = int(last) / 1000 if len(last) == 4 else None
                payload = bytes([int(words[0])]) + hex_bytes(arguments if timeout else words[1:])
                if s.may_ask() and not s.peer_drains:
                    asked = s.request(dx_hbtp.CALL, payload, timeout)
                    self.asked[s.last] = asked
            elif what == "open":
                stream = s.open(int(words[0]), hex_bytes(words[1:]))
                self.ours[stream.number] = stream
            elif what == "cancel":
                s.cancel(self.asked[int(words[0])])
            elif what == "reply":
                s.reply(self.later[int(words[0])], hex_bytes(words[1:]), None)
            elif what == "send":
                self.stream(words[0]).send(hex_bytes(words[1:]))
            elif what == "read":
                (self.stream(words[0]) if int(words[0]) < 0 else self.ours[int(words[0])]).read(0)
            elif what in ("finish", "reset"):
                getattr(self.stream(words[0]), what)(*map(int, words[1:]))
            else:
                {"hello": s.hello, "drain": s.start_drain, "close": s.end}[what]()
        except dx_hbtp.HbtpError as error:
            if error.status != 429:
                raise

    def look(self):
        """Which of our requests and streams have ended since."""
        for number, asked in list(self.asked.items()):
            if asked.done:
                self.ended.append((number, (asked.error.status or -1) if asked.error else 0))
                del self.asked[number]
        for number, stream in list(self.ours.items()):
            if stream.over and not stream.pieces:
                self.ended.append((number, (stream.error.status or -1) if stream.error else 0))
                del self.ours[number]

    def step(self, word, rest):
        """None, or the error."""
        if word == "in":
            data = hex_bytes(rest)
            for at in range(0, len(data), self.piece):
                self.session.feed(data[at:at + self.piece])
        elif word == "do":
            self.do(*rest)
        elif word == "out":
            found, wanted = without_texts(bytes(self.session.out)), hex_bytes(rest)
            self.session.out.clear()
            return None if found == wanted else "wrote %s, not %s" % (found.hex(" "), wanted.hex(" "))
        elif word == "ended":
            wanted = (int(rest[0]), int(rest[1]))
            return None if self.ended and self.ended.pop(0) == wanted else "%s has not ended so" % (wanted,)
        return None


def run_vector(steps, piece):
    settings = steps[0][1:] if steps[0][0] == "set" else []
    program = Program(settings, piece)
    for word, *rest in steps:
        wrong = program.step(word, rest)
        program.look()
        if wrong:
            return wrong
    if program.session.out or program.ended:
        return "more than is said: %s %s" % (program.session.out.hex(" "), program.ended)
    return None if program.session.closed == (steps[-1][0] == "closed") else "closed: %s" % program.session.closed


class Died(logging.Handler):
    """A client thread that ended with an exception: a failure, even if all else was right."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.said = []
        threading.excepthook = lambda what: self.said.append(repr(what.exc_value))

    def emit(self, record):
        if "thread" in record.msg:
            self.said.append("%s: %r" % (record.msg, record.exc_info[1]))


died = Died()


def case(name, run, *arguments):
    try:
        wrong = run(*arguments) or "; ".join(died.said)
    except Exception as error:
        wrong = repr(error)
    died.said.clear()
    counts["FAIL" if wrong else "ok"] += 1
    print("%-4s %s%s" % ("FAIL" if wrong else "ok", name, ": " + wrong if wrong else ""), flush=True)


# ---- the C side over real sockets
WAIT = 20.0  # long enough for a slow machine; nothing waits that long when all is well
M_ECHO, M_FAIL, M_SLOW, M_PUBLISH, M_DRAIN, M_CUT, M_RAW, M_CANCELS, M_APPEND, M_RESTART = 1, 2, 3, 5, 6, 7, 8, 9, 10, 11
S_ECHO, S_SOURCE, S_SINK, S_FAIL, S_CANCEL = 1, 2, 3, 4, 5


def pattern(first, size):
    return bytes((i * 31 + (i >> 8)) & 255 for i in range(first, first + size))


class Peer:
    """A C server of its own for a test."""

    def __init__(self, mode="serve"):
        self.mode = mode

    def __enter__(self):
        self.process = subprocess.Popen([PEER, self.mode], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.clients = []
        return self

    def client(self, **options):
        self.clients.append(dx_hbtp.Client("127.0.0.1", self.port, timeout=WAIT, **options))
        return self.clients[-1]

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
            assert not client.thread.is_alive(), "the receiving thread lives on"
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def status_of(function, *arguments, **options):
    """Its exception as a number: the status, -1 for a timeout, None for none."""
    try:
        function(*arguments, **options)
    except dx_hbtp.HbtpError as error:
        return error.status
    except TimeoutError:
        return -1


def expect(found, wanted):
    assert found == wanted, "%r, not %r" % (found, wanted)


def calls():
    for hello in (True, False):
        with Peer() as peer:
            client = peer.client(hello=hello)
            expect(client.version, 2 if hello else 1)
            expect(client.call(M_ECHO, b"hello"), b"hello")
            expect(client.call(M_ECHO), b"")
            expect(status_of(client.call, M_FAIL), 500)
            expect(status_of(client.call, M_FAIL, b"\x12"), 418)
            expect(status_of(client.call, 200), 404)
            expect(client.call(M_SLOW, b"\x05"), b"slow")
            expect(status_of(client.call, M_SLOW, b"\xff", timeout=0.05), -1)
            expect(client.call(M_CANCELS)[0], 1 if hello else 0)
            expect(client.call(M_ECHO, b"a" * 3000), b"a" * 3000)
            if hello:
                expect(status_of(client.call, M_ECHO, bytes(20000)), 413)
    return None


def streams():
    with Peer() as peer:
        client = peer.client(window=5000)
        source = client.open(S_SOURCE, struct.pack("<I", 400000))
        came = b"".join(source)
        assert came == pattern(0, 400000), "the bytes of a source"
        expect(client.call(M_ECHO, b"between"), b"between")
        sink = client.open(S_SINK)
        sink.write(pattern(0, 100000), WAIT)
        source.finish()
        sink.finish()
        expect(struct.unpack("<I", sink.read()[:4])[0], 100000)
        expect(sink.read(), b"")
        fails = client.open(S_FAIL)
        expect(fails.read(), b"some")
        expect(status_of(fails.read), 503)
        fails.finish()
        expect(status_of(client.open(S_CANCEL).read), 503)
        expect(status_of(client.open(77).read), 404)
        expect(status_of(client.open(S_ECHO).read, timeout=0.05), -1)
        expect(len(client.streams), 1)
    return None


def states():
    heard, event = [], threading.Event()

    def changed(whole, data):
        heard.append((whole, data))
        if data == b"end":
            event.set()
        raise ValueError("a callback that fails stops nobody")
    with Peer() as peer:
        client, other = peer.client(), peer.client(hello=False)
        client.subscribe(42, changed)
        other.call(M_PUBLISH, b"+too early")
        other.call(M_PUBLISH, b"one")
        other.call(M_PUBLISH, b"+two")
        other.call(M_PUBLISH, b"end")
        assert event.wait(WAIT), "states that come"
        expect(heard, [(True, b"one"), (False, b"+two"), (True, b"end")])
        client.unsubscribe(42)
        other.call(M_PUBLISH, b"late")
        expect(client.call(M_ECHO, b"x"), b"x")
        expect(len(heard), 3)
        expect(status_of(client.unsubscribe, 42), 404)
    return None


def versions():
    """A subscription resumes on another connection; states whose changes were dropped are sent whole."""
    heard, text = [], bytearray()

    def changed(whole, data):
        heard.append((whole, data))
        text[0 if whole else len(text):] = data

    def subscribed(peer, since=None):
        client = peer.client()
        client.subscribe(42, changed, WAIT, since)
        return client

    def comes(ready):
        until = time.monotonic() + WAIT
        while not ready() and time.monotonic() < until:
            time.sleep(0.001)
        assert ready(), "it comes: %r" % heard

    def hears(count):
        comes(lambda: len(heard) >= count)
        expect(len(heard), count)
    with Peer("publish") as peer:
        other, client = peer.client(hello=False), subscribed(peer)
        for index, word in enumerate((b"one ", b"two ", b"three ")):
            hears(index + 1)
            other.call(M_APPEND, word)
        hears(4)
        expect(heard, [(True, b""), (False, b"one "), (False, b"two "), (False, b"three ")])
        comes(lambda: client.version_of(42) == (0xfedcba9876543210, 4))
        expect(client.version_of(43), None)
        for count, words in ((1, 2), (2, 0), (3, 5)):      # as many as it keeps, and none
            del heard[:]
            client.close()
            for word in range(words):
                other.call(M_APPEND, b"%d, " % word)
            client = subscribed(peer, client.version_of(42))
            other.call(M_APPEND, b"last ")
            comes(lambda: heard and text.endswith(b"last "))
            assert not any(whole for whole, _ in heard), "whole states: %r" % heard
        client.close()
        before = client.version_of(42)
        for word in range(6):
            other.call(M_APPEND, b"x")
        del heard[:]
        client = subscribed(peer, before)                  # away for too long
        hears(1)
        expect(heard[0][0], True)
        client.close()
        other.call(M_RESTART)
        client = subscribed(peer, client.version_of(42))   # of another epoch
        hears(2)
        comes(lambda: client.version_of(42) == (0xfedcba9876543211, 1))
        expect(bytes(text), b"one two three 0, 1, last last 0, 1, 2, 3, 4, last xxxxxx")
        old = peer.client(hello=False)                     # of version 1: a whole state, without versions
        old.subscribe(42, changed, WAIT)
        hears(3)
        expect((heard[2], old.version_of(42)), ((True, bytes(text)), None))
    return None


def drains():
    with Peer() as peer:
        client, asked = peer.client(), []
        slow = threading.Thread(target=lambda: asked.append(client.call(M_SLOW, b"\xc8")))
        slow.start()
        while not client.asked:
            time.sleep(0.001)
        client.call(M_DRAIN)
        with client.lock:
            client.wait(lambda: client.peer_drains, time.monotonic() + WAIT)
        expect(status_of(client.call, M_ECHO), 503)
        slow.join(WAIT)
        expect(asked, [b"slow"])
        with client.lock:
            client.wait(lambda: client.closed, time.monotonic() + WAIT)
        expect(client.error.status, 0)
    with Peer() as peer:
        client = peer.client()
        slow = threading.Thread(target=lambda: asked.append(client.call(M_SLOW, b"\x64")))
        slow.start()
        while not client.asked:
            time.sleep(0.001)
        client.drain(timeout=WAIT)
        slow.join(WAIT)
        expect(asked, [b"slow"] * 2)
    return None


def at_its_worst():
    """It cuts, floods, and sends nonsense and half frames, a hundred times: every waiting call ends, and no thread
    dies."""
    chance = random.Random(SEED)
    with Peer() as peer:
        for _ in range(100):
            client = dx_hbtp.Client("127.0.0.1", peer.port, timeout=WAIT, hello=chance.random() < 0.8)
            stream = client.open(S_ECHO)
            kind = chance.randrange(4)
            if kind == 0:
                found = status_of(client.call, M_CUT, timeout=WAIT)
                expect(found, 0)
            else:
                nonsense = chance.randbytes(chance.randrange(1, 400))
                if kind == 1:  # frames of every kind with payloads of every kind, many
                    nonsense = b"".join(struct.pack("<BBHI", chance.choice((0, 1, 3, 4, 0x10, 0x11, 0x12, 0x30, 0x31, 0x32, 0x33, 0x34,
                                        0x35, 0x36, 0x51, 0xff, 0x77)), chance.randrange(256) & 0xef, chance.randrange(6), size) +
                                        chance.randbytes(size) for size in (chance.randrange(12) for _ in range(100)))
                if kind == 2:  # a flood of unrequested frames
                    nonsense = struct.pack("<BBHI", 0x31, 0, 7, 4) * 500
                status_of(client.call, M_RAW, nonsense, timeout=0.05)  # as it comes: any status, or none in time
            assert len(client.input) < 1 << 20 and len(client.out) < 1 << 20 and len(client.callbacks) < 1000
            client.close()
            assert not client.thread.is_alive() and stream.over, "an end"
        expect(peer.client().call(M_ECHO, b"still"), b"still")
    return None


def many_descriptors():
    """A program has more descriptors open than select() can take."""
    most = 1200
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with Peer() as peer:
        taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(most)]
        try:
            with peer.client() as client:
                assert client.socket.fileno() > 1024
                expect(client.call(M_ECHO, b"far"), b"far")
        finally:
            for fd in taken:
                os.close(fd)
    return None


def server():
    """The C side dials; handlers of every kind are here."""
    def fail(request):
        if request.arguments:
            raise dx_hbtp.HbtpError(400 + request.arguments[0])
        raise ZeroDivisionError("as the test says")

    def slow(request):  # half a second longer than the peer waits
        request.cancelled.wait(min(WAIT, max(0, request.until - time.monotonic() + 0.5)))

    def echo(stream):
        for piece in stream:
            stream.write(piece, WAIT)
        stream.finish()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dialer = subprocess.Popen([PEER, "dial", str(listening.getsockname()[1])], stdout=subprocess.PIPE, text=True)
        connection, _ = listening.accept()
        client = dx_hbtp.Client(connection=connection, methods={1: lambda request: request.arguments, 2: fail, 3: slow},
                                stream_methods={1: echo}, window=7000)
        out, _ = dialer.communicate(timeout=60)
        client.close()
    return out.strip() if dialer.returncode else None


def any_frames():
    """Frames composed at random: the output does not depend on how they were split, every request ends once, every
    answer matches a request, and nothing raises."""
    opcodes = (0, 1, 2, 3, 4, 0x10, 0x11, 0x12, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x51, 0x77, 0xff)
    for number in range(OPERATIONS // 2):
        settings = random.Random(SEED * 1000003 + number).choice((["accepts"], ["accepts", "greeted"], ["greeted"], []))
        found = []
        for whole in (True, False):
            chance = random.Random(SEED * 1000003 + number)
            program, data, asked = Program(settings, 0), b"", []
            for method in (1, 1):
                program.session.request(dx_hbtp.CALL, bytes([method]), then=lambda error, result: asked.append(error))
            program.session.open(1)
            for _ in range(30):
                payload = chance.choice((b"", b"\1", bytes(4), b"\1\0\0\0\7\0\0\0", b"\xf7\1\0\0", chance.randbytes(chance.randrange(20))))
                opcode = chance.choice(opcodes) if chance.randrange(30) else 2
                opcode = 0x34 if opcode == 2 and chance.randrange(8) else opcode
                data += struct.pack("<BBHI", opcode, chance.choice((0, 4, 8, 12, 12, 36, 1)), chance.randrange(5), len(payload)) + payload
            while data:
                size = len(data) if whole else chance.randrange(1, 30)
                program.session.feed(data[:size])
                data = data[size:]
            program.session.abort(dx_hbtp.HbtpError(0))
            assert len(asked) == 2 and not program.session.streams, "what waits ends, once"
            found.append(bytes(program.session.out))
        assert found[0] == found[1], "run %d: %s, in pieces %s" % (number, found[0].hex(" "), found[1].hex(" "))
    return None


def time_passes():
    """Silence, a frame that is not completed, a Hello without an answer: 408. A peer that does not read is held."""
    for prepare, seconds in ((lambda s: None, 61), (lambda s: s.feed(b"\x30\x04"), 61), (lambda s: s.hello(30), 31)):
        session = dx_hbtp.Session()
        prepare(session)
        start = time.monotonic()
        for second in range(seconds + 1):
            assert not session.closed or second >= seconds, "closed after %d s" % second
            session.tick(start + second)
        expect((session.closed, session.error.status), (True, 408))
        expect(bytes(session.out)[-19:-7], struct.pack("<BBHIHH", 2, 8, 0, 11, 408, 0))
    session = dx_hbtp.Session()
    ping = struct.pack("<BBHI", 0, 4, 7, 1000) + bytes(1000)
    session.feed(ping * 1000 + struct.pack("<BBHI", 0x34, 4, 1, 0))
    assert session.held and len(session.out) < dx_hbtp.OUT_MAX + 2000, "a peer that does not read"
    answered = 0
    while session.out:
        answered += len(session.out) // len(ping)
        session.out.clear()
        session.feed(b"")
    expect((answered, session.held, len(session.input)), (1000, False, 0))
    return None


def pump(stream, data, chance, found):
    """All of data through an echo, in pieces; returns the echo."""
    at = 0
    while at < len(data):
        size = chance.randrange(1, 5000)
        at += stream.send(data[at:at + size])
        with stream.session.lock:
            while stream.pieces:
                found += stream.read()
            stream.session.wait(lambda: stream.may_send() or stream.pieces, time.monotonic() + WAIT)
    stream.finish()
    for piece in stream:
        found += piece


def anything():
    """2,000 operations in any order, from several threads: each ends once, with the right result; each byte of a
    stream arrives, in order."""
    def one(number, failed):
        chance = random.Random(SEED * 1000 + number)
        try:
            for _ in range(OPERATIONS // 8):
                client, kind, data = clients[chance.randrange(2)], chance.randrange(10), chance.randbytes(chance.randrange(600))
                if kind < 5:
                    expect(client.call(M_ECHO, data, WAIT), data)
                elif kind == 5:
                    status = chance.randrange(1, 100)
                    expect(status_of(client.call, M_FAIL, bytes([status]), timeout=WAIT), 400 + status)
                elif kind == 6:
                    found = status_of(client.call, M_SLOW, b"\x1e", timeout=0.005)
                    assert found in (-1, None), "not in time, or on a machine that stood still, %r" % found
                elif kind == 7:
                    expect(client.call(M_SLOW, bytes([chance.randrange(1, 5)]), WAIT), b"slow")
                else:
                    with client.lock:
                        client.wait(lambda: len(client.streams) < client.peer_streams, time.monotonic() + WAIT)
                        stream = client.open(S_ECHO)
                    data, found = chance.randbytes(chance.randrange(20000)), bytearray()
                    if kind == 8:
                        pump(stream, data, chance, found)
                        assert found == data, "a stream of %d bytes, not %d" % (len(found), len(data))
                    else:
                        stream.send(data)
                        stream.reset(500)
                assert len(client.out) < 1 << 20 and len(client.input) < 1 << 18, "memory"
        except Exception as error:
            failed.append("operation of %d: %r" % (number, error))
    failed = []
    with Peer() as peer:
        clients = [peer.client(window=3000), peer.client()]
        threads = [threading.Thread(target=one, args=(number, failed)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        for client in clients:
            with client.lock:
                client.wait(client.idle, time.monotonic() + WAIT)
    return "; ".join(failed) or None


def javascript(wanted):
    """The client in that language reports the same."""
    if not shutil.which("node"):
        counts["skip"] += 1
        return print("skip javascript: node is not installed")
    done = subprocess.run(["node", TOP + "/tests/readers/hbtp_clients.mjs", VECTORS, PEER, str(SEED), str(OPERATIONS), wanted],
                          stdout=subprocess.PIPE, text=True, timeout=300)
    print(done.stdout, end="")
    for word in ("ok", "FAIL"):
        counts[word] += len(re.findall("^%s +javascript" % word, done.stdout, re.M))
    if done.returncode:
        counts["FAIL"] += 1
        print("FAIL javascript: node ended with %d" % done.returncode)


def main():
    logging.getLogger().addHandler(died)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, steps in vectors():
        if wanted in name:
            case(name, lambda: run_vector(steps, 1 << 20) or run_vector(steps, 1))
    for run in (any_frames, time_passes, calls, streams, states, versions, drains, at_its_worst, many_descriptors, server, anything):
        if wanted in run.__name__:
            case(run.__name__, run)
    javascript(wanted)
    print("hbtp_clients: %(ok)d passed, %(FAIL)d failed, %(skip)d skipped" % counts)
    return counts["FAIL"] != 0


if __name__ == "__main__":
    sys.exit(main())
