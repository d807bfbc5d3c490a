"""HBTP for Python: calls, streams and subscriptions, versions 1 and 2 of docs/formats/hbtp.md. No packages.

    client = Client("127.0.0.1", 7000)
    client.call(1, b"hello", timeout=5)                    # bytes; HbtpError: the peer refused; TimeoutError
    for piece in client.stream(2, b"log"): ...             # what the peer sends on a stream, until it ends
    client.subscribe(42, lambda whole, data: ...)          # whole: all of the state, else what changed
    client.close()

Session is the protocol alone: bytes in (feed), bytes out (out). Client puts it on a socket, with a thread that receives;
callbacks run on that thread. The other side may call, too: session.methods[3] = lambda arguments: b"result"."""
import collections, socket, struct, threading

PING, PONG, CLOSE, HELLO, DRAIN = 0, 1, 2, 3, 4
STATE_SYNC, STATE_DELTA, STATE_SUBSCRIBE, STATE_UNSUBSCRIBE = 0x10, 0x11, 0x12, 0x13
RPC_CALL, RPC_RESPONSE, RPC_ERROR, STREAM_START, STREAM_CHUNK, STREAM_END, RPC_CANCEL = range(0x30, 0x37)
COMPRESSED, ENCRYPTED, EXPECTS_RESPONSE, FINAL, HAS_CHECKSUM, EXTRA = 1, 2, 4, 8, 16, 32
DEADLINE, CANCEL, DRAINS, SPLIT = 1, 2, 4, 8  # features
CHUNK_MAX = 16384
TEXTS = {400: "bad request", 401: "unauthorized", 404: "not found", 408: "timeout", 413: "too big", 415: "unsupported",
         426: "another version", 429: "too many requests", 500: "internal error", 501: "not known", 503: "unavailable"}


class HbtpError(Exception):
    """A status from the other side, or 0 and why there is none."""

    def __init__(self, status, text=""):
        super().__init__("%d %s" % (status, text or TEXTS.get(status, "error")))
        self.status, self.text = status, text or TEXTS.get(status, "error")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def fields(payload):
    """The fields of a Hello or of EXTRA as a dictionary."""
    found, at, before = {}, 0, -1
    while at < len(payload):
        if len(payload) - at < 3:
            raise HbtpError(400)
        tag, size = struct.unpack_from("<BH", payload, at)
        if size > len(payload) - at - 3 or tag <= before:
            raise HbtpError(400)
        if tag >= 0x80:
            raise HbtpError(501)
        found[tag], at, before = payload[at + 3:at + 3 + size], at + 3 + size, tag
    return found


def field(tag, value):
    return struct.pack("<BH", tag, len(value)) + value


class Stream:
    """One direction each way. What has come is granted again at once; what has no credit waits."""

    def __init__(self, session, number, ours, on_data, on_end):
        self.session, self.number, self.ours = session, number, ours
        self.on_data, self.on_end = on_data, on_end
        self.credit, self.queue, self.end = 0, bytearray(), None
        self.sent_end, self.got_end, self.error = False, False, None

    def send(self, data):
        if self.end is not None:
            raise HbtpError(0, "the stream was finished")
        self.queue += data
        self.push()

    def finish(self, status=0, text=""):
        """No more data; behind what still waits for credit."""
        self.end = (status, text)
        self.push()

    def reset(self, status=500, text=""):
        self.session.frame(STREAM_END, self.flags(), self.number, self.session.status(status, text))
        self.session.over(self, HbtpError(0, "cancelled"))

    def grant(self, size):
        self.session.frame(STREAM_CHUNK, self.flags(), self.number, struct.pack("<I", size))

    def flags(self):
        return EXPECTS_RESPONSE if self.ours else 0

    def push(self):
        most = min(CHUNK_MAX, (self.session.peer_payload_max or 1 << 32) - 4)
        while self.queue and self.credit:
            size = min(len(self.queue), self.credit, most)
            self.session.frame(STREAM_CHUNK, self.flags(), self.number, b"\0\0\0\0" + bytes(self.queue[:size]))
            del self.queue[:size]
            self.credit -= size
        if self.end is None or self.queue or self.sent_end:
            return
        self.sent_end = True
        status, text = self.end
        self.session.frame(STREAM_END, self.flags() | FINAL, self.number, self.session.status(status, text) if status else b"")
        if self.got_end:
            self.session.over(self, self.error)


class Session:
    def __init__(self, payload_max=1 << 20, window=1 << 18):
        self.payload_max, self.window = payload_max, window
        self.out, self.input = bytearray(), bytearray()
        self.waiting = {}                  # sequence -> done(error, result)
        self.streams = {}                  # (number, ours) -> Stream
        self.states = {}                   # state -> callback(whole, data)
        self.methods = {}                  # method -> function(arguments) -> result
        self.stream_methods = {}           # method -> function(stream, arguments): sets on_data, on_end
        self.on_drain = lambda: None
        self.version, self.features, self.peer_payload_max, self.peer_credit = 1, 0, 0, 0
        self.closed, self.drains, self.last = False, False, 0

    # ---- out
    def frame(self, opcode, flags, sequence, payload=b""):
        self.out += struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload

    @staticmethod
    def status(status, text=""):
        return struct.pack("<HH", status, 0) + (text or TEXTS.get(status, "error")).encode()

    def number(self):
        if self.closed or self.drains:
            raise HbtpError(0, "the connection is closed" if self.closed else "the peer is about to close")
        for _ in range(65535):
            self.last = self.last % 65535 + 1
            if self.last not in self.waiting and (self.last, True) not in self.streams:
                return self.last
        raise HbtpError(0, "no number is free")

    def request(self, opcode, payload, done, timeout=None):
        sequence, flags = self.number(), EXPECTS_RESPONSE
        if timeout is not None and self.features & DEADLINE:
            extra = field(1, struct.pack("<I", min(int(timeout * 1000), 0xffffffff)))
            payload, flags = struct.pack("<H", len(extra)) + extra + payload, flags | EXTRA
        if self.peer_payload_max and len(payload) > self.peer_payload_max:
            raise HbtpError(413)
        self.waiting[sequence] = done
        self.frame(opcode, flags, sequence, payload)
        return sequence

    def call(self, method, arguments, done, timeout=None):
        return self.request(RPC_CALL, bytes([method]) + arguments, done, timeout)

    def cancel(self, sequence):
        """Nobody waits any longer; the number stays taken until the answer comes."""
        if sequence in self.waiting:
            self.waiting[sequence] = lambda error, result: None
            if self.features & CANCEL:
                self.frame(RPC_CANCEL, 0, sequence)

    def hello(self, done=lambda error: None, needs=0, identity=b"", token=b"", agent=b"python"):
        """Version 2, where the other side knows it: best before anything else. done(error) when that is known."""
        payload = field(1, bytes([2 if needs else 1, 2])) + field(2, struct.pack("<IIII", self.payload_max, 1024, 1024, 0))
        payload += field(3, struct.pack("<I", DEADLINE | CANCEL | DRAINS | SPLIT))
        for tag, value in ((4, struct.pack("<I", needs) if needs else b""), (6, agent), (7, identity), (9, token)):
            payload += field(tag, value) if value else b""

        def answered(error, result):
            if error and (error.status != 404 or needs):
                self.end(error.status or 426)
                return done(error)
            if not error:
                try:
                    self.agree(fields(result), needs)
                except HbtpError as refused:
                    self.end(refused.status)
                    return done(refused)
            return done(None)
        self.request(HELLO, payload, answered)

    def agree(self, found, needs):
        versions = found.get(1, b"")
        if len(versions) < 2 or versions[0] > versions[1]:
            raise HbtpError(400)
        if versions[0] > 2 or (needs and versions[1] < 2):
            raise HbtpError(426)
        features = struct.unpack("<I", found[3][:4])[0] if len(found.get(3, b"")) >= 4 else 0
        if needs & ~features or (len(found.get(4, b"")) >= 4 and struct.unpack("<I", found[4][:4])[0] & ~15):
            raise HbtpError(501)
        if versions[1] >= 2:
            self.version, self.features = 2, features & 15
            if len(found.get(2, b"")) >= 16:
                self.peer_payload_max, _, _, self.peer_credit = struct.unpack("<IIII", found[2][:16])

    def open(self, method, arguments=b"", on_data=lambda data: None, on_end=lambda error: None):
        stream = Stream(self, self.number(), True, on_data, on_end)
        self.streams[stream.number, True] = stream
        window = self.window if self.payload_max >= CHUNK_MAX + 4 or self.features & SPLIT else min(self.window, self.payload_max - 4)
        self.frame(STREAM_START, EXPECTS_RESPONSE, stream.number, struct.pack("<BBHI", method, 0, 0, window) + arguments)
        stream.credit = self.peer_credit
        return stream

    def subscribe(self, state, changed, done=lambda error, result: None):
        self.states[state] = changed
        return self.request(STATE_SUBSCRIBE, struct.pack("<I", state), done)

    def unsubscribe(self, state, done=lambda error, result: None):
        self.states.pop(state, None)
        return self.request(STATE_UNSUBSCRIBE, struct.pack("<I", state), done)

    def end(self, status=0, text=""):
        """Say Close; everything that waits ends."""
        if not self.closed:
            self.frame(CLOSE, FINAL, 0, self.status(status, text) if status else b"")
            self.abort(HbtpError(status, text or "closed"))

    def abort(self, error):
        self.closed = True
        waiting, self.waiting = self.waiting, {}
        for done in waiting.values():
            done(error, None)
        for stream in list(self.streams.values()):
            self.over(stream, error)

    def over(self, stream, error):
        if self.streams.pop((stream.number, stream.ours), None):
            stream.on_end(error)

    # ---- in
    def feed(self, data):
        """Bytes that have come. HbtpError: the connection is over; send what is in out."""
        self.input += data
        while not self.closed and len(self.input) >= 8:
            opcode, flags, sequence, length = struct.unpack_from("<BBHI", self.input)
            if length > self.payload_max:
                self.end(413)
                raise HbtpError(413)
            size = 8 + length + (4 if flags & HAS_CHECKSUM else 0)
            if len(self.input) < size:
                return
            frame = bytes(self.input[:size])
            del self.input[:size]
            if flags & HAS_CHECKSUM and crc32c(frame[:8 + length]) != struct.unpack_from("<I", frame, 8 + length)[0]:
                self.end(400)
                raise HbtpError(400)
            self.dispatch(opcode, flags, sequence, frame[8:8 + length])

    def dispatch(self, opcode, flags, sequence, payload):
        try:
            if flags & (COMPRESSED | ENCRYPTED):
                raise HbtpError(415)
            if flags & EXTRA and self.version >= 2:
                if len(payload) < 2 or struct.unpack_from("<H", payload)[0] > len(payload) - 2:
                    raise HbtpError(400)
                behind = 2 + struct.unpack_from("<H", payload)[0]
                fields(payload[2:behind])
                payload = payload[behind:]
            self.handle(opcode, flags, sequence, payload)
        except HbtpError as error:
            if opcode in (PONG, RPC_RESPONSE, RPC_ERROR):
                self.answered(sequence, error, None)
            elif opcode in (STREAM_CHUNK, STREAM_END):
                stream = self.streams.get((sequence, not flags & EXPECTS_RESPONSE))
                if stream:
                    stream.reset(error.status or 500, error.text)
            elif self.is_request(opcode, flags):
                self.frame(RPC_ERROR, 0, sequence, self.status(error.status or 500, error.text))

    @staticmethod
    def is_request(opcode, flags):
        return opcode in (PING, RPC_CALL, STREAM_START) or (
            flags & EXPECTS_RESPONSE and opcode not in (PONG, CLOSE, RPC_RESPONSE, RPC_ERROR, STREAM_CHUNK, STREAM_END))

    def answered(self, sequence, error, result):
        stream = self.streams.get((sequence, True))
        if stream and error:
            return self.over(stream, error)
        done = self.waiting.pop(sequence, None)
        return done(error, result) if done else None

    def handle(self, opcode, flags, sequence, payload):
        if opcode == PING:
            self.frame(PONG, 0, sequence, payload)
        elif opcode in (PONG, RPC_RESPONSE):
            self.answered(sequence, None, payload)
        elif opcode == RPC_ERROR:
            known = len(payload) >= 4
            self.answered(sequence, HbtpError(struct.unpack_from("<H", payload)[0] if known else 0, payload[4:].decode("utf-8", "replace")), None)
        elif opcode == CLOSE:
            self.end()
        elif opcode == DRAIN and self.version >= 2:
            self.drains = True
            self.frame(RPC_RESPONSE, 0, sequence)
            self.on_drain()
        elif opcode in (STATE_SYNC, STATE_DELTA) and len(payload) >= 4:
            changed = self.states.get(struct.unpack_from("<I", payload)[0])
            if changed:
                changed(opcode == STATE_SYNC, payload[4:])
        elif opcode == RPC_CALL:
            if not payload:
                raise HbtpError(400)
            if payload[0] not in self.methods:
                raise HbtpError(404)
            self.frame(RPC_RESPONSE, 0, sequence, self.methods[payload[0]](payload[1:]) or b"")
        elif opcode == STREAM_START:
            self.opened(sequence, payload)
        elif opcode in (STREAM_CHUNK, STREAM_END):
            stream = self.streams.get((sequence, not flags & EXPECTS_RESPONSE))
            if stream:
                (self.chunk if opcode == STREAM_CHUNK else self.stream_end)(stream, flags, payload)
        elif opcode != RPC_CANCEL and self.is_request(opcode, flags):
            raise HbtpError(404)

    def opened(self, sequence, payload):
        if len(payload) < 8 or payload[1:4] != b"\0\0\0" or not sequence:
            raise HbtpError(400)
        if payload[0] not in self.stream_methods:
            raise HbtpError(404)
        stream = self.streams[sequence, False] = Stream(self, sequence, False, lambda data: None, lambda error: None)
        stream.credit = struct.unpack_from("<I", payload, 4)[0]
        stream.grant(min(self.window, self.payload_max - 4))
        self.stream_methods[payload[0]](stream, payload[8:])

    def chunk(self, stream, flags, payload):
        if len(payload) < 4 or len(payload) == 4 and payload == b"\0\0\0\0" or stream.got_end and len(payload) > 4:
            raise HbtpError(400)
        stream.credit += struct.unpack_from("<I", payload)[0]
        if len(payload) > 4:
            stream.on_data(payload[4:])
            if (stream.number, stream.ours) in self.streams and not stream.got_end:
                stream.grant(len(payload) - 4)
        stream.push()

    def stream_end(self, stream, flags, payload):
        if payload and len(payload) < 4 or not payload and not flags & FINAL:
            raise HbtpError(400)
        error = HbtpError(struct.unpack_from("<H", payload)[0], payload[4:].decode("utf-8", "replace")) if payload else None
        if error and not 400 <= error.status <= 599:
            raise HbtpError(400)
        if not flags & FINAL:
            return self.over(stream, error)
        if stream.got_end:
            raise HbtpError(400)
        stream.got_end, stream.error = True, error
        if error and not stream.sent_end:  # it takes nothing more: end this direction, too
            stream.queue.clear()
            stream.end = (0, "")
            stream.push()
        elif stream.sent_end:
            self.over(stream, error)


class Client:
    def __init__(self, host, port, hello=True, session=None, **options):
        self.session = session or Session()
        self.lock = threading.RLock()
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.thread = threading.Thread(target=self.receive, daemon=True)
        with self.lock:
            if hello:
                self.session.hello(**options)
            self.flush()
        self.thread.start()

    def flush(self):
        data, self.session.out = bytes(self.session.out), bytearray()
        if data:
            self.socket.sendall(data)

    def receive(self):
        error = HbtpError(0, "the connection was lost")
        try:
            while not self.session.closed:
                data = self.socket.recv(1 << 16)
                with self.lock:
                    if not data:
                        break
                    self.session.feed(data)
                    self.flush()
        except (OSError, HbtpError) as why:
            error = why if isinstance(why, HbtpError) else HbtpError(0, str(why))
        with self.lock:
            try:
                self.flush()
            except OSError:
                pass
            if not self.session.closed:
                self.session.abort(error)
        self.socket.close()

    def wait(self, start, timeout):
        """start(done) begins something; wait until done(error, result) is called."""
        ready, box = threading.Event(), []

        def done(error, result=None):
            box[:] = [error, result]
            ready.set()
        with self.lock:
            sequence = start(done)
            self.flush()
        if not ready.wait(timeout):
            with self.lock:
                self.session.cancel(sequence)
                self.flush()
            raise TimeoutError("no answer in %s s" % timeout)
        if box[0]:
            raise box[0]
        return box[1]

    def call(self, method, arguments=b"", timeout=None):
        return self.wait(lambda done: self.session.call(method, arguments, done, timeout), timeout)

    def subscribe(self, state, changed, timeout=10):
        return self.wait(lambda done: self.session.subscribe(state, changed, done), timeout)

    def stream(self, method, arguments=b"", data=b""):
        """Open a stream, send data on it, and iterate over what comes back."""
        came, ready = collections.deque(), threading.Condition(self.lock)

        def put(item):
            came.append(item)
            ready.notify_all()
        with self.lock:
            stream = self.session.open(method, arguments, lambda piece: piece and put(piece), lambda error: put((error,)))
            if data:
                stream.send(data)
            stream.finish()
            self.flush()
        while True:
            with self.lock:
                while not came:
                    ready.wait()
                item = came.popleft()
            if isinstance(item, tuple):
                if item[0]:
                    raise item[0]
                return
            yield item

    def close(self):
        with self.lock:
            self.session.end()
            try:
                self.flush()
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        if threading.current_thread() is not self.thread:
            self.thread.join(5)
