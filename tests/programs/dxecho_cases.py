"""Clients for tests/programs/test_dxecho.sh.    usage: dxecho_cases.py CASE PORT [PID]    (status 0: it holds)"""
import os
import random
import resource
import select
import socket
import struct
import sys
import time

case, port = sys.argv[1], int(sys.argv[2])


def dial():
    s = socket.create_connection(("127.0.0.1", port), 300)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def frame(opcode, sequence, payload=b"", flags=0):
    return struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload


def exactly(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        assert more, "ends after %d of %d bytes" % (len(got), size)
        got += more
    return got


def read(s):
    opcode, flags, sequence, size = struct.unpack("<BBHI", exactly(s, 8))
    return opcode, flags, sequence, exactly(s, size)


def rest(s):
    got = b""
    while True:
        more = s.recv(65536)
        if not more:
            return got
        got += more


def pings_and_calls():
    s = dial()
    for i, size in enumerate([0, 1, 2, 64, 1000, 16384, 65535, 65536]):
        payload = random.Random(i).randbytes(size)
        s.sendall(frame(0x00, 7 + i, payload))
        assert read(s) == (0x01, 0, 7 + i, payload)
        s.sendall(frame(0x30, 9000 + i, payload))
        assert read(s) == (0x31, 0, 9000 + i, payload)


def every_split():
    out = b"".join(frame(0, i, bytes([i]) * i) for i in range(6))
    back = b"".join(frame(1, i, bytes([i]) * i) for i in range(6))
    s = dial()
    for cut in range(len(out) + 1):
        s.sendall(out[:cut])
        if cut % 8 == 0:
            time.sleep(0.001)
        s.sendall(out[cut:])
        assert exactly(s, len(back)) == back
    for i in range(len(out)):
        s.sendall(out[i : i + 1])
    assert exactly(s, len(back)) == back


def deep_pipeline():
    rng = random.Random(3)
    out, back = bytearray(), bytearray()
    for i in range(30000):
        payload = rng.randbytes(rng.choice([0, 8, 64, 300]))
        out += frame(0x30 if i % 3 == 0 else 0, i & 65535, payload)
        back += frame(0x31 if i % 3 == 0 else 1, i & 65535, payload)
    s = dial()
    s.setblocking(False)
    sent, got = 0, bytearray()
    end = time.time() + 300
    while len(got) < len(back) and time.time() < end:
        select.select([s], [s] if sent < len(out) else [], [], 1)
        try:
            sent += s.send(out[sent : sent + 50000])
        except BlockingIOError:
            pass
        try:
            got += s.recv(1 << 20)
        except BlockingIOError:
            pass
    assert got == back


def a_reader_that_does_not_read():
    s = dial()
    s.settimeout(1)
    piece, sent = frame(0, 1, b"x" * 60000), 0
    try:
        while sent < 200 << 20:  # it must stop receiving, not grow
            sent += s.send(piece)
    except socket.timeout:
        pass
    assert sent < 100 << 20, "%d bytes were taken without an answer being read" % sent
    rss = int([l for l in open("/proc/%s/status" % sys.argv[3]) if l.startswith("VmRSS")][0].split()[1])
    assert rss < 300000, "%d KiB" % rss
    t = dial()  # and others are served
    t.sendall(frame(0, 5))
    assert read(t) == (1, 0, 5, b"")


def half_close():
    s = dial()
    out = b"".join(frame(0, i, b"y" * 3000) for i in range(100))
    s.sendall(out)
    s.shutdown(socket.SHUT_WR)
    assert rest(s) == b"".join(frame(1, i, b"y" * 3000) for i in range(100))
    s = dial()
    s.sendall(frame(0, 1, b"part")[:-1])
    s.shutdown(socket.SHUT_WR)
    assert rest(s) == b""
    s = dial()
    s.shutdown(socket.SHUT_WR)
    assert rest(s) == b""


def bad_frames():
    for bad, status in [
        (struct.pack("<BBHI", 0, 0, 3, 65537), 413),
        (struct.pack("<BBHI", 0, 0, 3, 0xFFFFFFFF), 413),
        (frame(0, 3, b"abc", 0x10) + b"\0\0\0\0", 400),
    ]:
        s = dial()
        s.sendall(frame(0, 1) + bad + b"z" * 100000)
        assert read(s) == (1, 0, 1, b"")
        op, _, sequence, payload = read(s)
        assert (op, sequence) == (0x32, 3) and struct.unpack("<H", payload[:2])[0] == status, (op, payload)
        op, _, _, payload = read(s)
        assert op == 0x02 and struct.unpack("<H", payload[:2])[0] == status
        assert rest(s) == b""  # the end, not a reset
    s = dial()  # refused alone: unknown opcodes, no handler, codecs
    s.sendall(frame(0x7F, 1) + frame(0x10, 1) + frame(0x7F, 2, b"", 4) + frame(0x10, 3, b"", 4) + frame(0, 4, b"", 1)
              + frame(0x31, 5, b"", 4) + frame(0, 6, b"q"))
    for sequence in 2, 3, 4:  # requests are answered, nothing else is
        assert read(s)[:3:2] == (0x32, sequence)
    assert read(s) == (1, 0, 6, b"q")
    s.sendall(frame(2, 0, b"", 8) + frame(0, 9))
    assert rest(s) == frame(2, 0, b"", 8)  # a Close for the Close


def half_frames():
    """Half frames do not block other clients, and are closed in time, however slowly they arrive.
    The server has --idle 2."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    half = frame(0, 1, b"h" * 1000)[:-1]
    all = []
    for i in range(1500):
        all.append(dial())
        all[-1].sendall(half)
    begin = time.time()
    for i in range(20):
        s = dial()
        s.sendall(frame(0, 7, b"whole"))
        assert read(s) == (1, 0, 7, b"whole")
    for s in all:
        s.close()
    s = dial()
    s.sendall(frame(0, 1, b"h" * 1000)[:8])
    try:
        while time.time() < begin + 60:
            s.sendall(b"h")
            time.sleep(0.2)
            if select.select([s], [], [], 0)[0] and not s.recv(1):
                break
    except ConnectionError:
        pass
    assert time.time() < begin + 30, "a frame may take for ever"
    s = dial()  # nothing at all
    begin = time.time()
    assert rest(s) == b"" and time.time() < begin + 30


def random_bytes():
    rng = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
    for i in range(300):
        s = dial()
        try:
            s.sendall(rng.randbytes(rng.randrange(1, 3000)))
            s.shutdown(socket.SHUT_WR)
            rest(s)
        except ConnectionError:
            pass
        s.close()
    pings_and_calls()


def resets():
    for i in range(300):
        s = dial()
        s.sendall(frame(0, 1, b"r" * 50000) * (i % 4))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    pings_and_calls()


def many_connections():
    all = [dial() for _ in range(800)]
    for n in range(3):
        for i, s in enumerate(all):
            s.sendall(frame(0, i, b"m%d" % n))
        for i, s in enumerate(all):
            assert read(s) == (1, 0, i, b"m%d" % n)


def e_16_out_of_descriptors():
    """The server may have 40 descriptors: further connections wait in the backlog and are served
    later."""
    all = [dial() for _ in range(100)]
    for s in all:
        s.sendall(frame(0, 1))
    cpu = lambda: sum(map(int, open("/proc/%s/stat" % sys.argv[3]).read().split()[13:15]))
    time.sleep(0.3)
    before = cpu()
    time.sleep(0.5)
    assert cpu() - before < 10, "spins"
    for s in all:
        assert read(s) == (1, 0, 1, b"")
        s.close()


def http():
    s = dial()
    s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert exactly(s, len(one) * 500) == one * 500
    whole = b"GET /x?y HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\n\r\n"
    for cut in range(len(whole)):
        s.sendall(whole[:cut])
        s.sendall(whole[cut:])
        assert exactly(s, len(one)) == one
    s.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert exactly(s, len(one) - 2) == one[:-2]
    s.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + whole)
    got = rest(s)
    assert got.startswith(b"HTTP/1.1 200") and got.count(b"HTTP/1.1") == 1 and got.endswith(b"ok")
    for bad, status in [
        (b"GET /\r\n\r\n", 400), (b"GET / HTTP/2.0\r\n\r\n", 505), (b"POST / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400), (b" GET / HTTP/1.1\r\n\r\n", 400), (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /" + b"a" * 9000, 431), (b"GET / HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431),
    ]:
        s = dial()
        s.sendall(bad)
        got = rest(s)
        assert got.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in got, (bad[:40], got)
    rng = random.Random(5)
    for i in range(300):  # changed at random: an answer or none, never a hang
        text = bytearray(whole * 2)
        for _ in range(rng.randrange(1, 6)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        s = dial()
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        got = rest(s)
        assert got == b"" or got.startswith(b"HTTP/1.1 "), got


def plain():
    data = random.Random(8).randbytes(3000000)
    s = dial()
    s.setblocking(False)
    sent, got, end = 0, bytearray(), time.time() + 300
    while len(got) < len(data) and time.time() < end:
        select.select([s], [s] if sent < len(data) else [], [], 1)
        try:
            sent += s.send(data[sent : sent + 50000])
        except BlockingIOError:
            pass
        try:
            got += s.recv(1 << 20)
        except BlockingIOError:
            pass
    assert got == data


globals()[case]()
