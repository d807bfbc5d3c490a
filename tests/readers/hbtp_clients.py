#!/usr/bin/env python3
"""The clients of examples/clients/ keep to docs/formats/hbtp.md: the vectors of tests/vectors/hbtp.txt, with the session of the
Python client. usage: hbtp_clients.py [FILTER]      the last line counts"""
import logging, os, re, struct, sys

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, TOP + "/examples/clients")
sys.dont_write_bytecode = True
import dx_hbtp

VECTORS = TOP + "/tests/vectors/hbtp.txt"
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
    """What the head of the vectors says, on a session without a connection."""

    def __init__(self, words):
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
        """Which requests and streams of ours have ended since."""
        for number, asked in list(self.asked.items()):
            if asked.done:
                self.ended.append((number, (asked.error.status or -1) if asked.error else 0))
                del self.asked[number]
        for number, stream in list(self.ours.items()):
            if stream.over and not stream.pieces:
                self.ended.append((number, (stream.error.status or -1) if stream.error else 0))
                del self.ours[number]

    def step(self, word, rest):
        """None, or what is wrong."""
        if word == "in":
            self.session.feed(hex_bytes(rest))
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


def run_vector(steps):
    program = Program(steps.pop(0)[1:] if steps[0][0] == "set" else [])
    for word, *rest in steps:
        wrong = program.step(word, rest)
        program.look()
        if wrong:
            return wrong
    if program.session.out or program.ended:
        return "more than is said: %s %s" % (program.session.out.hex(" "), program.ended)
    return None if program.session.closed == (steps[-1][0] == "closed") else "closed: %s" % program.session.closed


def case(name, run, *arguments):
    try:
        wrong = run(*arguments)
    except Exception as error:
        logging.exception(name)
        wrong = repr(error)
    counts["FAIL" if wrong else "ok"] += 1
    print("%-4s %s%s" % ("FAIL" if wrong else "ok", name, ": " + wrong if wrong else ""), flush=True)


def main():
    logging.basicConfig(level=logging.CRITICAL)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, steps in vectors():
        if wanted in name:
            case(name, run_vector, steps)
    print("hbtp_clients: %(ok)d passed, %(FAIL)d failed, %(skip)d skipped" % counts)
    return counts["FAIL"] != 0


if __name__ == "__main__":
    sys.exit(main())
