#!/usr/bin/env python3
"""Peers of dxup serve with other versions of the protocol.
usage: dxup_versions.py DXUP ADDR:PORT NAME FILE [BASE]

With BASE, which is another version of NAME: clients that read patches between containers, and older ones. The
request for NAME, whose content is FILE, is recorded from DXUP itself; so this file does not know its coding."""
import socket
import struct
import subprocess
import sys

dxup, address, name, path = sys.argv[1:5]
base = sys.argv[5] if len(sys.argv) > 5 else None
OTHER_VERSION = 426
HELLO, CLOSE, CALL, RESPONSE, ERROR, CHUNK = 0x03, 0x02, 0x30, 0x31, 0x32, 0x51
FINAL, EXPECTS = 0x08, 0x04
AT, OBJECTS, CONTAINERS = 1, 8, 16  # the offset of a request's flags, after the method; programs/sync/wire.h


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


def frame(opcode, flags, sequence, payload):
    return struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload


def dial():
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 60)


def field(tag, value):
    return struct.pack("<BH", tag, len(value)) + value


def what_dxup_asks():
    """Its Hello and its request, which it sends without waiting. It is over a file, and without the flag that
    requests objects: that of an earlier release."""
    with open("over", "wb") as over:
        over.write(open(base, "rb").read() if base else b"a file")
    listener = socket.create_server(("127.0.0.1", 0))
    pull = subprocess.Popen([dxup, "pull", "127.0.0.1:%d" % listener.getsockname()[1], name, "over"], stderr=subprocess.DEVNULL)
    s, _ = listener.accept()
    hello, call = read(s), read(s)
    s.close()
    assert pull.wait() == 3
    assert hello[0] == HELLO and hello[1] & EXPECTS and b"dxup " in hello[3], hello
    assert call[0] == CALL and call[2] != hello[2], call
    flags = call[3][AT]
    assert flags & OBJECTS, call
    return hello[3], call[3][:AT] + bytes([flags & ~OBJECTS]) + call[3][AT + 1:]


def receives(s, request):
    content, opcode = b"", 0
    s.sendall(frame(CALL, EXPECTS, 77, request))
    assert read(s)[:3] == (RESPONSE, 0, 77)
    while True:
        opcode, flags, _, payload = read(s)
        assert opcode == CHUNK, opcode
        content += payload[16:]
        if flags & FINAL:
            return content


def pulls(s, request):
    assert receives(s, request) == open(path, "rb").read()


hello, request = what_dxup_asks()
flags, kinds = request[AT], request[AT + 1]

if base:
    def with_flags(flags, kinds):
        return receives(dial(), request[:AT] + bytes([flags, kinds]) + request[AT + 2:])
    assert flags & CONTAINERS and kinds & 2, (flags, kinds)
    whole = open(path, "rb").read()
    contained = with_flags(flags, kinds)
    assert contained[:4] == b"DXC1" and contained[6] & ~kinds == 0, contained[:8]
    for less in ((flags & ~CONTAINERS, 0), (flags & ~CONTAINERS, kinds), (flags, 0), (flags, 1)):  # kind 0 is unused
        plain = with_flags(*less)
        assert plain[:4] == b"DXP1" or plain == whole, (less, plain[:4])
        assert len(plain) > len(contained), (less, len(plain), len(contained))
    assert with_flags(flags, kinds) == contained
    sys.exit()

# The request of an earlier release asks for no patch between containers either.
request = request[:AT] + bytes([flags & ~CONTAINERS, 0]) + request[AT + 2:]

s = dial()  # version 1: no Hello
pulls(s, request)

s = dial()  # version 2
s.sendall(frame(HELLO, EXPECTS, 5, hello))
opcode, _, sequence, payload = read(s)
assert (opcode, sequence) == (RESPONSE, 5) and b"dxup " in payload, (opcode, payload)
pulls(s, request)

s = dial()  # one that accepts little at a time, and says so
s.sendall(frame(HELLO, EXPECTS, 5, field(1, bytes([1, 2])) + field(2, struct.pack("<IIII", 1000, 1, 0, 0))))
assert read(s)[0] == RESPONSE
pulls(s, request)

s = dial()  # one of the future that supports no version known here
s.sendall(frame(HELLO, EXPECTS, 5, field(1, bytes([3, 4]))) + frame(CALL, EXPECTS, 6, request))
opcode, _, sequence, payload = read(s)
assert (opcode, sequence) == (ERROR, 5) and struct.unpack("<H", payload[:2])[0] == OTHER_VERSION
assert b"install the same dxup" in payload, payload
opcode, flags, _, payload = read(s)
assert opcode == CLOSE and flags & FINAL and struct.unpack("<H", payload[:2])[0] == OTHER_VERSION
assert s.recv(1) == b""
