"""HBTP for Python: calls, streams, states; versions 1 and 2 of docs/formats/hbtp.md. No packages.

    with Client("127.0.0.1", 7000) as client:
        client.call(1, b"hello", timeout=5)      # bytes; HbtpError: refused; TimeoutError: too late
        stream = client.open(2, b"log")
        stream.write(b"...")                     # as fast as the peer takes it
        stream.finish()
        for piece in stream: ...                 # what the peer sends, until it ends
        client.subscribe(42, lambda whole, data: ...)   # whole: all of the state, else a change
        since = client.version_of(42)            # of another client: subscribe(..., since=since)
    Client("db.example", 7000, tls=True)         # TLS, checked by the certificates that the system trusts;
                                                 # ca="ca.pem": by these; server_name="...": another name

The peer may call, too: Client(..., methods={3: function}, stream_methods={4: function}). What a
method returns for request.arguments is the answer; an exception answers 500, HbtpError its status.

Session is the protocol alone: bytes come in by feed() and go out by `out`. Client puts it on a
socket, with one thread that reads and writes it and one for each handler that runs. Every wait has
an end: `timeout` in seconds. A connection that is lost is not made again: make another Client.
Not here: COMPRESSED and ENCRYPTED payloads (refused with 415), bulk transfer."""
import collections, logging, selectors, socket, ssl, struct, threading, time

PING, PONG, CLOSE, HELLO, DRAIN = 0, 1, 2, 3, 4
STATE_SYNC, STATE_DELTA, STATE_SUBSCRIBE, STATE_UNSUBSCRIBE = 0x10, 0x11, 0x12, 0x13
CALL, RESPONSE, ERROR, START, CHUNK, END, CANCEL = range(0x30, 0x37)
EXTENDED = 0xff
ANSWERS = (PONG, RESPONSE, ERROR)
OPAQUE, EXPECTS_RESPONSE, FINAL, HAS_CHECKSUM, EXTRA = 1 | 2, 4, 8, 16, 32
KNOWS_DEADLINE, KNOWS_CANCEL, KNOWS_DRAIN, KNOWS_SPLIT, KNOWS_ALL = 1, 2, 4, 8, 15
KNOWS_RESUME = 16          # publishers say it: they count the versions of states
CHUNK_MAX, PAYLOAD_MIN = 16384, 256
OUT_MAX = 1 << 18          # bytes to be sent, from where on nothing but answers is added
FRAME_S, KEEPALIVE_S, LINGER_S = 60, 30, 5
TEXTS = {400: "bad request", 401: "unauthorized", 404: "not found", 408: "timeout", 413: "too big",
         415: "unsupported", 426: "another version", 429: "too many requests",
         500: "internal error", 501: "not known", 503: "unavailable"}


class HbtpError(Exception):
    """A status of the other side or of the rules; 0: the connection has ended."""

    def __init__(self, status, text=""):
        self.status, self.text = status, text or TEXTS.get(status, "error")
        super().__init__("%d %s" % (status, self.text))


def _table_entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc


CRC_TABLE = [_table_entry(byte) for byte in range(256)]


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def put_field(tag, value):
    return struct.pack("<BH", tag, len(value)) + value


def fields(data, least):
    """The fields of a Hello or of EXTRA by their tags; least: sizes of those that are known."""
    found, before = {}, -1
    while data:
        tag, size = struct.unpack_from("<BH", data) if len(data) >= 3 else (0, 0)
        if len(data) < 3 + size or tag <= before or (size < least.get(tag, 0)):
            raise HbtpError(400)
        if tag >= 0x80:
            raise HbtpError(501)
        found[tag], data, before = data[3:3 + size], data[3 + size:], tag
    return found


def put_status(status, text=""):
    return struct.pack("<HH", status, 0) + (text or TEXTS.get(status, "error")).encode()


def get_status(payload):
    """What a peer says went wrong. Raises where it cannot be read."""
    if len(payload) < 4 or payload[2:4] != b"\0\0":
        raise HbtpError(400)
    return HbtpError(struct.unpack_from("<H", payload)[0], payload[4:].decode("utf-8", "replace"))


def is_request(opcode, flags):
    never = (CLOSE, CHUNK, END) + ANSWERS
    return opcode in (PING, CALL, START) or bool(flags & EXPECTS_RESPONSE) and opcode not in never


class Asked:
    """A request of ours: done, then its error or result."""

    def __init__(self, opcode, then=None):
        self.opcode, self.then = opcode, then
        self.done, self.error, self.result = False, None, b""

    def end(self, error, result=b""):
        if not self.done:
            self.done, self.error, self.result = True, error, result
            if self.then:
                self.then(error, result)


class Request:
    """One of the peer's. until: when it no longer waits, by time.monotonic()."""

    def __init__(self, sequence, arguments, until):
        self.sequence, self.arguments, self.until = sequence, arguments, until
        self.cancelled = threading.Event()


class Watched:
    """A state that is subscribed to. epoch, version: the newest received; applied: the newest that the
    program has applied. of_versions: the publisher counts them."""

    def __init__(self, changed, of_versions, since):
        self.changed, self.of_versions, self.applied = changed, of_versions, since
        self.epoch, self.version = since or (0, 0)
        self.answered = self.has_base = False

    def on_answer(self, error, result):
        """What comes from here on is for this subscription."""
        self.answered = True
        if self.of_versions and not error:
            epoch, latest = struct.unpack_from("<QQ", result) if len(result) >= 16 else (0, 0)
            if epoch != self.epoch or latest < self.version:
                self.version = 0           # of what we have the publisher knows nothing

    def fits(self, whole, first, to):
        """May what comes be applied to what we have?"""
        if whole:
            return first and to and (first != self.epoch or to >= self.version)
        return self.version and first == self.version and to > first

    def deliver(self, whole, data, applied):
        """Let the program take it in. Where it fails, nobody knows what it has."""
        before, self.applied = self.applied, None
        self.changed(whole, data)
        self.applied = applied if whole or before or not applied else None


class Stream:
    """Bytes in both directions. Received bytes are buffered until they are read, at most one window."""

    def __init__(self, session, number, ours, credit, receive_left, arguments=b""):
        self.session, self.number, self.ours, self.arguments = session, number, ours, arguments
        self.credit = credit               # what we may send
        self.receive_left = receive_left   # what the peer may send, as far as it was told
        self.owed = 0                      # bytes read, but not granted again yet
        self.pieces = collections.deque()
        self.sent_end = self.got_end = self.over = False
        self.error = None

    def frame(self, opcode, flags=0, payload=b""):
        flags |= EXPECTS_RESPONSE if self.ours else 0
        self.session.frame(opcode, flags, self.number, payload)

    def grant(self, size):
        """Grant `size` more bytes of credit. Sent at once if half of the window is owed, or little
        credit is left."""
        self.owed += size
        if self.over or self.got_end or not self.owed:
            return
        if self.owed >= self.session.window // 2 or self.owed >= self.receive_left:
            self.frame(CHUNK, 0, struct.pack("<I", self.owed))
            self.receive_left, self.owed = self.receive_left + self.owed, 0

    def send(self, data):
        """As much as can go now; how much that was."""
        session = self.session
        with session.lock:
            self.check_open()
            size = min(len(data), self.credit, CHUNK_MAX)
            if session.peer_payload_max:
                size = min(size, session.peer_payload_max - 4)
            if size <= 0 or len(session.out) >= OUT_MAX:
                return 0
            self.frame(CHUNK, 0, bytes(4) + bytes(data[:size]))
            self.credit -= size
            return size

    def check_open(self):
        if self.over or self.sent_end:
            raise self.error or HbtpError(0, "the stream was finished")

    def write(self, data, timeout=30.0):
        """All of it, as the peer and the connection take it."""
        data, until = memoryview(data), time.monotonic() + timeout
        with self.session.lock:
            while len(data):
                data = data[self.send(data):]
                if len(data):
                    self.session.wait(self.may_send, until)

    def may_send(self):
        return self.over or self.sent_end or self.credit and len(self.session.out) < OUT_MAX

    def read(self, timeout=30.0):
        """What has come; b"": the peer has finished. HbtpError: why there is no more."""
        with self.session.lock:
            self.session.wait(lambda: self.pieces or self.got_end or self.over,
                              time.monotonic() + timeout)
            if self.pieces:
                piece = self.pieces.popleft()
                self.grant(len(piece))
                return piece
            if self.error:
                raise self.error
            return b""

    def __iter__(self):
        return iter(self.read, b"")

    def finish(self, status=0, text=""):
        """No more data from here: that was all, or status says why not."""
        with self.session.lock:
            self.check_open()
            self.frame(END, FINAL, put_status(status, text) if status else b"")
            self.sent_end = True
            self.settle()

    def reset(self, status=500, text=""):
        """Cancel both directions."""
        with self.session.lock:
            if not self.over:
                self.frame(END, 0, put_status(status, text))
                self.pieces.clear()
                self.end(HbtpError(status, text or "cancelled"))

    def settle(self):
        if self.sent_end and self.got_end:
            self.end(self.error)

    def end(self, error):
        self.over, self.error = True, error
        self.session.streams.pop((self.number, self.ours), None)

    def on_chunk(self, flags, payload):
        behind_end = self.got_end and len(payload) > 4
        if len(payload) < 4 or payload == bytes(4) or behind_end or flags & FINAL:
            raise HbtpError(400)
        size, credit = len(payload) - 4, struct.unpack_from("<I", payload)[0]
        if credit + self.credit > 0xffffffff:
            raise HbtpError(400)
        if size > self.receive_left or size > CHUNK_MAX:
            raise HbtpError(413)
        self.credit += credit
        self.receive_left -= size
        if size:
            self.pieces.append(payload[4:])
        self.grant(0)

    def on_end(self, flags, payload):
        error = get_status(payload) if payload or not flags & FINAL else None
        if error and not 400 <= error.status <= 599 or flags & FINAL and self.got_end:
            raise HbtpError(400)
        if not flags & FINAL:
            self.pieces.clear()
            return self.end(error)
        self.got_end, self.error = True, error
        self.settle()


class Session:
    """One side of a connection. accepts: Hellos are answered; needs: features that it requires;
    without them it ends; admit(hello): the status that refuses a peer, by the fields of its Hello, or 0."""

    def __init__(self, methods=None, stream_methods=None, payload_max=1 << 20, requests_max=64,
                 streams_max=64, credit=1 << 16, window=1 << 18, accepts=False, needs=0, agent=b"",
                 identity=b"", key=b"", token=b"", admit=None):
        self.methods, self.stream_methods = methods or {}, stream_methods or {}
        self.payload_max, self.requests_max = payload_max, requests_max
        self.streams_max, self.needs, self.accepts, self.admit = streams_max, needs, accepts, admit
        self.first, self.window = min(credit, 1 << 30), min(window, 1 << 30)
        self.texts = {6: agent, 7: identity, 8: key, 9: token}
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.out, self.input = bytearray(), bytearray()
        self.asked = {}                    # sequence -> Asked; until the answer has come
        self.pending = {}                  # sequence -> Request; of the peer's, not answered yet
        self.serving = 0                   # handlers of streams that run
        self.streams = {}                  # (number, ours) -> Stream
        self.states = {}                   # state -> Watched
        self.callbacks = collections.deque()
        self.version, self.features, self.last, self.ignored = 1, 0, 0, 0
        self.peer_payload_max = self.peer_requests = self.peer_streams = self.peer_credit = 0
        self.said_hello = self.greeted = False   # ours is under way; one was, or is
        self.closed = self.held = self.peer_drains = self.drains = False
        self.told_drain = False
        self.error = None                  # why it was closed
        self.heard = self.begun = time.monotonic()
        self.pinged = False

    # ---- hooks for the owner of the connection
    def wake(self):
        """There is output."""

    def run(self, work):
        """Call a handler; it may take its time."""
        work()

    def wait(self, ready, until):
        """Until ready() or the time has come. With the lock."""
        if not self.changed.wait_for(ready, max(0, until - time.monotonic())):
            raise TimeoutError("not in time")

    # ---- what the program asks for
    def frame(self, opcode, flags=0, sequence=0, payload=b""):
        if not self.closed:
            self.out += struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload
            self.wake()

    def check_open(self):
        if self.closed:
            raise HbtpError(0, "the connection has ended: %s" % self.error)
        if self.peer_drains:
            raise HbtpError(503, "the peer is about to close")

    def number(self):
        for _ in range(65535):
            self.last = self.last % 65535 + 1
            if self.last not in self.asked and (self.last, True) not in self.streams:
                return self.last
        raise HbtpError(429, "no number is free")

    def may_ask(self):
        full = self.peer_requests and len(self.asked) >= self.peer_requests
        return self.closed or self.peer_drains or not full and len(self.out) < OUT_MAX

    def request(self, opcode, payload=b"", timeout=None, then=None):
        """Begin a request; timeout travels where the peer knows deadlines."""
        flags = EXPECTS_RESPONSE
        if opcode != DRAIN or self.closed:
            self.check_open()
        if timeout is not None and self.features & KNOWS_DEADLINE:
            milliseconds = min(int(max(timeout, 0.001) * 1000), 0xffffffff)
            deadline = put_field(1, struct.pack("<I", milliseconds))
            payload, flags = struct.pack("<H", len(deadline)) + deadline + payload, flags | EXTRA
        self.check_size(payload)
        sequence, asked = self.number(), Asked(opcode, then)
        self.asked[sequence] = asked
        self.frame(opcode, flags, sequence, payload)
        return asked

    def check_size(self, payload):
        if self.peer_payload_max and len(payload) > self.peer_payload_max:
            raise HbtpError(413)

    def ask(self, opcode, payload=b"", timeout=30.0, then=None):
        """A request and its answer. Nobody waits for it any more when the time is over."""
        until = time.monotonic() + timeout
        with self.lock:
            self.wait(self.may_ask, until)
            asked = self.request(opcode, payload, until - time.monotonic(), then)
            try:
                self.wait(lambda: asked.done, until)
            except TimeoutError:
                self.cancel(asked)
                raise
        if asked.error:
            raise asked.error
        return asked.result

    def call(self, method, arguments=b"", timeout=30.0):
        return self.ask(CALL, bytes([method]) + arguments, timeout)

    def cancel(self, asked):
        """Its number stays taken until the answer comes, and it counts until then."""
        sequences = [sequence for sequence, other in self.asked.items() if other is asked]
        if sequences and self.features & KNOWS_CANCEL:
            self.frame(CANCEL, 0, sequences[0])
        asked.end(HbtpError(0, "nobody waits any longer"))

    def open(self, method, arguments=b""):
        with self.lock:
            self.check_open()
            most = min(self.streams_max, self.peer_streams or self.streams_max)
            if len(self.streams) >= most:
                raise HbtpError(429, "too many streams")
            payload = struct.pack("<BBHI", method, 0, 0, self.window) + arguments
            self.check_size(payload)
            stream = Stream(self, self.number(), True, self.peer_credit, self.window)
            self.streams[stream.number, True] = stream
            stream.frame(START, 0, payload)
            return stream

    def subscribe(self, state, changed, timeout=30.0, since=None):
        """changed(whole, data) runs where input is read: it must not wait. since: the version_of()
        what `changed` has already, from a connection that was lost, say."""
        of_versions = bool(self.features & KNOWS_RESUME)
        watched = self.states[state] = Watched(changed, of_versions, since if of_versions else None)
        payload = struct.pack("<I", state)
        if of_versions:
            payload += struct.pack("<QQ", watched.epoch, watched.version)
        try:
            self.ask(STATE_SUBSCRIBE, payload, timeout, watched.on_answer)
        except Exception:
            self.states.pop(state, None)
            raise

    def version_of(self, state):
        """(epoch, version) of what `changed` was given last; None: the publisher counts none, or
        `changed` failed. It stays when the connection has ended."""
        watched = self.states.get(state)
        return watched.applied if watched else None

    def unsubscribe(self, state, timeout=30.0):
        self.states.pop(state, None)
        self.ask(STATE_UNSUBSCRIBE, struct.pack("<I", state), timeout)

    def start_drain(self, status=503, text=""):
        """Begin nothing new for the peer, and tell it. Close when it is idle()."""
        with self.lock:
            self.drains = True
            if not self.said_hello and self.features & KNOWS_DRAIN and not self.told_drain:
                self.told_drain = True
                self.request(DRAIN, put_status(status, text))

    def idle(self):
        return not (self.asked or self.pending or self.streams or self.said_hello)

    def end(self, status=0, text="", error=None):
        """Say Close; everything that waits ends."""
        with self.lock:
            self.frame(CLOSE, FINAL, 0, put_status(status, text) if status else b"")
            self.abort(error or HbtpError(status, text or "closed"))

    def abort(self, error):
        with self.lock:
            if self.closed:
                return
            self.closed, self.error = True, error
            for asked in list(self.asked.values()):
                asked.end(error)
            for stream in list(self.streams.values()):
                stream.end(error)
            for request in self.pending.values():
                request.cancelled.set()
            self.asked.clear()
            self.input.clear()
            self.changed.notify_all()

    # ---- Hello
    def put_hello(self):
        word = struct.Struct("<I").pack
        limits = (self.payload_max, self.requests_max, self.streams_max, self.first)
        known = {1: bytes([2 if self.needs else 1, 2]), 2: b"".join(map(word, limits)),
                 3: word(KNOWS_ALL), 4: word(self.needs) if self.needs else b"", **self.texts}
        return b"".join(put_field(tag, value) for tag, value in known.items() if value)

    def hello(self, timeout=30.0):
        """Of the side that has made the connection, before any stream; nobody needs to wait."""
        with self.lock:
            if self.greeted or self.streams or self.accepts:
                raise HbtpError(400, "a Hello comes once, and before any stream")
            self.request(HELLO, self.put_hello(), then=self.on_hello_answered)
            self.greeted = self.said_hello = True
            self.hello_until = time.monotonic() + timeout

    def on_hello_answered(self, error, result):
        self.said_hello = False
        if self.closed:
            return
        try:
            if error and (error.status != 404 or self.needs):
                raise HbtpError(426) if error.status == 404 else error
            if not error:
                self.agree(result)
                for stream in self.streams.values():   # the peer's credit holds for them, too
                    stream.credit += self.peer_credit if stream.ours else 0
            if self.drains:
                self.start_drain()
        except HbtpError as refused:
            self.end(refused.status if 400 <= refused.status <= 599 else 400, refused.text)

    def agree(self, payload):
        found = fields(payload, {1: 2, 2: 16, 3: 4, 4: 4})
        low, high = found.get(1, b"\0\0")[:2]
        limits = struct.unpack_from("<IIII", found.get(2, bytes(16)))
        features, needs = (struct.unpack_from("<I", found.get(tag, bytes(4)))[0] for tag in (3, 4))
        if not high or low > high or 0 < limits[0] < PAYLOAD_MIN or limits[3] >= 1 << 31:
            raise HbtpError(400)
        if low > 2 or self.needs and high < 2:
            raise HbtpError(426)
        if needs & ~KNOWS_ALL or self.needs & ~features:
            raise HbtpError(501)
        status = self.admit(found) if self.admit else 0
        if status:
            raise HbtpError(status)
        if high >= 2:
            self.version, self.features = 2, features & (KNOWS_ALL | KNOWS_RESUME)
            self.peer_payload_max, self.peer_requests, self.peer_streams, self.peer_credit = limits

    def on_hello(self, sequence, payload):
        try:
            if self.greeted or not sequence:
                raise HbtpError(400)
            self.agree(payload)
        except HbtpError as error:
            self.frame(ERROR, 0, sequence, put_status(error.status, error.text))
            return self.end(error.status, error.text)
        self.greeted = True
        self.frame(RESPONSE, 0, sequence, self.put_hello())

    # ---- what comes
    def feed(self, data, now=None):
        """Bytes that have come. Raises nothing: closed and error say how it ended."""
        with self.lock:
            now = time.monotonic() if now is None else now
            if data and not self.closed:
                self.heard, self.pinged = now, False
                self.begun = now if not self.input else self.begun
                self.input += data
            self.held = False
            while not self.closed and self.next_frame():
                self.begun = now
            self.changed.notify_all()
            callbacks, self.callbacks = self.callbacks, collections.deque()
        for function, arguments in callbacks:
            self.guard(function, *arguments)

    @staticmethod
    def guard(function, *arguments):
        """Call the program, whose exceptions must not end the session. Returns its result and its error."""
        try:
            return function(*arguments), None
        except HbtpError as error:
            return None, error
        except Exception:
            logging.exception("a handler failed")
            return None, HbtpError(500)

    def next_frame(self):
        """Parse one frame of the input. False: no frame is complete, or it has to wait."""
        if len(self.input) < 8:
            return False
        opcode, flags, sequence, length = struct.unpack_from("<BBHI", self.input)
        size = 8 + length + (4 if flags & HAS_CHECKSUM else 0)
        most = self.payload_max
        if opcode == CHUNK and self.streams_max:
            most = max(most, CHUNK_MAX + 4)    # a peer of version 1 sends what it has credit for
        if length > most:
            return self.fail(opcode, flags, sequence, HbtpError(413))
        if len(self.input) < size:
            return False
        if is_request(opcode, flags) and len(self.out) >= OUT_MAX:
            self.held = True               # the peer does not read: it gets no more answers now
            return False
        frame = bytes(self.input[:size])
        if flags & HAS_CHECKSUM and crc32c(frame[:-4]) != struct.unpack("<I", frame[-4:])[0]:
            return self.fail(opcode, flags, sequence, HbtpError(400))
        del self.input[:size]
        self.dispatch(opcode, flags, sequence, frame[8:8 + length])
        return True

    def fail(self, opcode, flags, sequence, error):
        if is_request(opcode, flags):
            self.frame(ERROR, 0, sequence, put_status(error.status))
        self.end(error.status)
        return False

    def dispatch(self, opcode, flags, sequence, payload):
        try:
            until = float("inf")
            if self.version >= 2 and flags & EXTRA and not flags & OPAQUE:
                behind = 2 + (struct.unpack_from("<H", payload)[0] if len(payload) >= 2 else 65536)
                if behind > len(payload):
                    raise HbtpError(400)
                found, payload = fields(payload[2:behind], {1: 4}), payload[behind:]
                if 1 in found:
                    milliseconds = struct.unpack_from("<I", found[1])[0]
                    until = time.monotonic() + milliseconds / 1000 if milliseconds else 0
            if self.accepts and self.needs and not self.greeted:
                if opcode not in (HELLO, CLOSE) + ANSWERS:
                    raise HbtpError(426)
            if is_request(opcode, flags):
                if not until:
                    raise HbtpError(408)
                if self.drains and opcode not in (PING, DRAIN):
                    raise HbtpError(503)
            if flags & OPAQUE and opcode != CLOSE:
                raise HbtpError(415)
            self.handle(opcode, flags, sequence, payload, until)
        except HbtpError as error:
            self.refuse(opcode, flags, sequence, error)

    def refuse(self, opcode, flags, sequence, error):
        """Only a request is answered; but a stream with a hole in it is cancelled."""
        if is_request(opcode, flags):
            self.frame(ERROR, 0, sequence, put_status(error.status, error.text))
        elif opcode in ANSWERS:
            self.on_answer(ERROR, sequence, HbtpError(0, "an answer that cannot be read"), b"")
        elif opcode in (CHUNK, END) and self.stream_of(flags, sequence):
            self.stream_of(flags, sequence).reset(error.status)
        else:
            self.ignored += 1

    def stream_of(self, flags, sequence):
        return self.streams.get((sequence, not flags & EXPECTS_RESPONSE))

    def on_answer(self, opcode, sequence, error, payload):
        asked, stream = self.asked.get(sequence), self.streams.get((sequence, True))
        if stream and opcode == ERROR:
            stream.end(error)
        elif asked and (opcode == ERROR or (opcode == PONG) == (asked.opcode == PING)):
            del self.asked[sequence]
            asked.end(error, payload)
        else:
            self.ignored += 1

    def handle(self, opcode, flags, sequence, payload, until):
        wanted = is_request(opcode, flags)
        if opcode == PING:
            self.check_size(payload)
            self.frame(PONG, 0, sequence, payload)
        elif opcode in ANSWERS:
            error = get_status(payload) if opcode == ERROR else None
            if error and not 400 <= error.status <= 599:
                raise HbtpError(400)
            self.on_answer(opcode, sequence, error, payload)
        elif opcode == CLOSE:
            said = payload[:2] + bytes(2) + payload[4:] if len(payload) >= 4 else b""
            why = get_status(said) if said and not flags & OPAQUE else None
            self.end(error=why or HbtpError(0, "closed by the peer"))
        elif opcode == HELLO and (self.accepts or self.greeted):
            if not flags & EXPECTS_RESPONSE:
                raise HbtpError(400)
            self.on_hello(sequence, payload)
        elif opcode in (DRAIN, CANCEL) and self.version >= 2:
            if wanted != (opcode == DRAIN):
                raise HbtpError(400)
            if opcode == DRAIN:
                self.peer_drains = True
                self.frame(RESPONSE, 0, sequence)
            elif sequence in self.pending:
                self.pending[sequence].cancelled.set()
        elif opcode in (STATE_SYNC, STATE_DELTA) and not wanted and len(payload) >= 4:
            self.on_state(opcode == STATE_SYNC, struct.unpack_from("<I", payload)[0], payload[4:])
        elif opcode == CALL:
            self.on_call(sequence, payload, until)
        elif opcode == START:
            self.on_start(flags, sequence, payload)
        elif opcode in (CHUNK, END):
            stream = self.stream_of(flags, sequence)
            if not stream:
                self.ignored += 1
            elif opcode == CHUNK:
                stream.on_chunk(flags, payload)
            else:
                stream.on_end(flags, payload)
        elif opcode == EXTENDED and (len(payload) < 2 or payload[1] == 0):
            raise HbtpError(400)
        else:
            raise HbtpError(404)

    def on_state(self, whole, state, data):
        watched, applied = self.states.get(state), None
        if not watched or watched.of_versions and not watched.answered:
            self.ignored += 1
            return
        if watched.of_versions:
            first, to = struct.unpack_from("<QQ", data) if len(data) >= 16 else (0, 0)
            if not watched.fits(whole, first, to):
                return self.end(400)       # a publisher that sends what cannot be applied
            watched.epoch, watched.version = first if whole else watched.epoch, to
            applied, data = (watched.epoch, to), data[16:]
        elif not (whole or watched.has_base):
            self.ignored += 1
            return
        watched.has_base = True
        self.callbacks.append((watched.deliver, (whole, data, applied)))

    def on_call(self, sequence, payload, until):
        if len(self.pending) >= self.requests_max:
            raise HbtpError(429)
        if not payload:
            raise HbtpError(400)
        handler = self.methods.get(payload[0])
        if not handler or sequence in self.pending:
            raise HbtpError(404 if not handler else 400)
        request = self.pending[sequence] = Request(sequence, payload[1:], until)

        def work():
            self.reply(request, *self.guard(handler, request))
        _, error = self.guard(self.run, work)
        if error:                          # not even begun: no thread could be had
            self.reply(request, None, error)

    def reply(self, request, result, error):
        with self.lock:
            try:
                if not error:
                    result = bytes(result or b"")
                    self.check_size(result)
            except (HbtpError, TypeError, ValueError) as wrong:
                error = wrong if isinstance(wrong, HbtpError) else HbtpError(500)
            if self.pending.pop(request.sequence, None):
                payload = put_status(error.status or 500, error.text) if error else result
                self.frame(ERROR if error else RESPONSE, 0, request.sequence, payload)
            self.changed.notify_all()

    def on_start(self, flags, sequence, payload):
        opens = sequence and flags & EXPECTS_RESPONSE and not flags & FINAL
        if len(payload) < 8 or payload[1:4] != bytes(3) or not opens:
            raise HbtpError(400)
        if not self.streams_max:
            raise HbtpError(404)
        if (sequence, False) in self.streams:
            return self.streams[sequence, False].reset(400)
        if max(self.serving, len(self.streams)) >= self.streams_max:
            raise HbtpError(429)
        first = self.first if self.version >= 2 else 0
        credit = struct.unpack_from("<I", payload, 4)[0]
        stream = Stream(self, sequence, False, credit, first, payload[8:])
        self.streams[sequence, False] = stream
        handler = self.stream_methods.get(payload[0])
        if not handler:
            return stream.reset(404)
        stream.frame(CHUNK, 0, struct.pack("<I", self.window))
        stream.receive_left += self.window
        self.serving += 1

        def ended(error):
            with self.lock:
                self.serving -= 1
                if error:
                    stream.reset(error.status or 500, error.text)
        _, error = self.guard(self.run, lambda: ended(self.guard(handler, stream)[1]))
        if error:                          # not even begun
            ended(error)

    def tick(self, now):
        """Time has passed: to be called each second."""
        with self.lock:
            slow = len(self.input) > 0 and not self.held and now - self.begun >= FRAME_S
            silent = self.pinged and now - self.heard >= 2 * KEEPALIVE_S
            if slow or silent or self.said_hello and now >= self.hello_until:
                self.end(408)
            elif now - self.heard >= KEEPALIVE_S and not self.pinged:
                self.pinged = True
                self.frame(PING)


Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def ready(reads, writes, seconds):
    """Which sockets can be read, and which written, as with select(): but with any number of descriptors."""
    with Selector() as waiting:
        for each in {*reads, *writes}:
            waiting.register(each, (each in reads) * selectors.EVENT_READ
                             | (each in writes) * selectors.EVENT_WRITE)
        found = [(key.fileobj, events) for key, events in waiting.select(seconds)]
    return ([each for each, events in found if events & selectors.EVENT_READ],
            [each for each, events in found if events & selectors.EVENT_WRITE])


def secure(plain, name, tls, ca, timeout):
    """TLS on a connected socket. A certificate that is not trusted, or of another name, is refused."""
    context = tls if isinstance(tls, ssl.SSLContext) else ssl.create_default_context(cafile=ca)
    plain.settimeout(timeout)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        refused = HbtpError(0, "the certificate of %s was refused: %s" % (name, error.verify_message))
    except (ssl.SSLError, ConnectionError) as error:
        refused = HbtpError(0, "no TLS with %s: %s" % (name, error))
    except BaseException:
        plain.close()
        raise
    plain.close()
    raise refused


class Client(Session):
    """A session on a TCP connection. hello=False: version 1. connection: one that was accepted.
    tls: True, or an ssl.SSLContext; ca: a file of the certificates to trust instead of the system's;
    server_name: whose certificate it must be, if not that of host. The last two imply TLS."""

    def __init__(self, host="", port=0, connection=None, hello=True, timeout=10.0, tls=None, ca=None,
                 server_name=None, **options):
        super().__init__(accepts=connection is not None, **options)
        self.socket = connection or socket.create_connection((host, port), timeout)
        if tls or ca or server_name:
            self.socket = secure(self.socket, server_name or host, tls, ca, timeout)
        self.is_secure = isinstance(self.socket, ssl.SSLSocket)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.waker, self.woken = socket.socketpair()
        self.waker.setblocking(False)
        if hello and not connection:
            self.hello(timeout)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        try:
            with self.lock:
                self.wait(lambda: not self.said_hello, time.monotonic() + timeout)
                if hello and self.closed:
                    self.check_open()
        except Exception:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wake(self):
        try:
            self.waker.send(b"\0")
        except OSError:                    # it has been told already, or has ended
            pass

    def run(self, work):
        threading.Thread(target=work, daemon=True).start()

    def wait(self, ready, until):
        if threading.current_thread() is self.thread and not ready():
            raise RuntimeError("a callback of a state must not wait")
        super().wait(ready, until)

    def work(self):
        """The thread that reads and writes. Whatever happens to it, everything that waits ends."""
        error = HbtpError(0, "the connection was lost")
        try:
            while not self.closed:
                self.turn()
            self.leave(time.monotonic() + LINGER_S)
        except OSError as why:
            error = HbtpError(0, "the connection was lost: %s" % why)
        except Exception:
            logging.exception("the thread of a connection failed")
        self.abort(error)
        for each in (self.socket, self.waker, self.woken):
            each.close()

    def turn(self):
        reads = [self.woken] if self.held else [self.woken, self.socket]
        self.tick(time.monotonic())
        writes = [self.socket] if self.out else []
        has_more = self.is_secure and not self.held and self.socket.pending() > 0
        readable, writable = ready(reads, writes, 0 if has_more else 1.0)
        if self.woken in readable:
            self.woken.recv(4096)
        if writable:
            self.send_out()
            self.feed(b"")                 # resume held frames, and writers that wait for room
        if self.socket in readable or has_more:
            data = self.receive()
            if data == b"":
                raise ConnectionError("the peer has ended it")
            self.feed(data or b"")

    def receive(self):
        """b"": the peer has ended it. None: TLS has received a part of a record, or nothing for us."""
        try:
            return self.socket.recv(1 << 16)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def send_out(self):
        with self.lock:
            try:
                del self.out[:self.socket.send(self.out[:1 << 16])]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass                       # again later, with these bytes and perhaps more

    def leave(self, until):
        """Our Close goes out, and is heard: a socket that is closed with input unread takes back
        what it has sent."""
        def left():
            return max(0, until - time.monotonic())
        while self.out and ready([], [self.socket], left())[1]:
            self.send_out()
        if self.is_secure:
            try:
                self.socket.unwrap()       # TLS says the end, too; nobody waits for the answer
            except (OSError, ValueError):
                pass
        self.socket.shutdown(socket.SHUT_WR)
        while ready([self.socket], [], left())[0]:
            if self.receive() == b"" or not left():
                break

    def drain(self, status=503, text="", timeout=30.0):
        """Let everything that was begun end, begin nothing new, and close."""
        try:
            self.start_drain(status, text)
            with self.lock:
                self.wait(lambda: self.closed or self.idle(), time.monotonic() + timeout)
        finally:
            self.close()

    def close(self):
        self.end()
        if threading.current_thread() is not self.thread:
            self.thread.join(LINGER_S + 1)
