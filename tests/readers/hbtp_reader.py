#!/usr/bin/env python3
"""An independent reader and writer of docs/formats/hbtp.md, for comparison with dx_hbtp.h.
usage: hbtp_reader.py document FILE | check <pairs | write COUNT SEED      a pair is: description TAB bytes in hex"""
import random, re, struct, sys

OPCODES = {int(v, 16): n for v, n in re.findall(r"^\| ([0-9A-F]{2})h \| (\w+) \|", open("docs/formats/hbtp.md").read().split("## 2")[0], re.M)
           if len(n) > 3 and n.upper() != n}
CHUNKS = {1: "Header", 2: "Layout", 3: "State", 4: "Wasm", 5: "Patch", 255: "Eof"}
SHAPES = {0x12: [("state", "I")], 0x13: [("state", "I")], 0x30: [("method", "B"), ("rest", "")],
          0x32: [("status", "H"), ("zero", "H"), ("rest", "")], 0x33: [("method", "B"), ("zero", "3s"), ("credit", "I"), ("rest", "")],
          0x34: [("credit", "I"), ("rest", "")], 0x35: [("status", "H"), ("zero", "H"), ("rest", "")],
          0x51: [("transfer", "I"), ("crc", "I"), ("offset", "Q"), ("rest", "")], 0xff: [("opcode", "H"), ("rest", "")]}
SHAPES[0x02] = SHAPES[0x32]
FROM_VERSION = [("state", "I"), ("epoch", "Q"), ("version", "Q")]  # a StateSubscribe of 20 bytes

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff

def shape(opcode, flags, size):  # an opaque payload has none, an empty Close or End neither
    if opcode == 0x12 and size == 20 and not flags & 3:
        return FROM_VERSION
    return [("rest", "")] if flags & 3 or opcode not in SHAPES or (opcode in (0x02, 0x35) and not size) else SHAPES[opcode]

def describe(frame):
    opcode, flags, sequence, length = struct.unpack("<BBHI", frame[:8])
    payload, tail = frame[8:8 + length], frame[8 + length:]
    assert len(payload) == length and len(tail) == (4 if flags & 16 else 0), "size"
    assert not tail or struct.unpack("<I", tail)[0] == crc32c(frame[:8 + length]), "checksum"
    words, at = [OPCODES[opcode], "flags=%d" % flags, "sequence=%d" % sequence], 0
    for name, kind in shape(opcode, flags, length):
        value = payload[at:].hex() if not kind else struct.unpack_from("<" + kind, payload, at)[0]
        at += struct.calcsize("<" + kind) if kind else len(payload) - at
        assert name != "zero" or value in (0, b"\0\0\0"), "reserved"
        assert name != "status" or opcode != 0x32 or 400 <= value <= 599, "status"
        assert name != "crc" or value == crc32c(payload[16:]), "crc"
        if name not in ("zero", "crc"):
            words.append("%s=%s" % (name, value))
    assert at == length and (opcode != 0xff or flags & 3 or int(words[3][7:]) >= 256), "payload"
    return " ".join(words)

def encode(text):
    name, *words = text.split(" ")
    fields = dict(word.split("=") for word in words)
    opcode, flags = {n: v for v, n in OPCODES.items()}[name], int(fields["flags"])
    rest, payload = bytes.fromhex(fields["rest"]) if "rest" in fields else b"", b""
    for key, kind in shape(opcode, flags, 20 if "epoch" in fields else "status" in fields):
        value = crc32c(rest) if key == "crc" else (b"\0" * 3 if kind == "3s" else 0) if key == "zero" else int(fields[key]) if kind else rest
        payload += struct.pack("<" + kind, value) if kind else value
    frame = struct.pack("<BBHI", opcode, flags, int(fields["sequence"]), len(payload)) + payload
    return frame + (struct.pack("<I", crc32c(frame)) if flags & 16 else b"")

def chunks(stream):  # section 6
    out, at = [], 0
    while at < len(stream):
        kind, length = struct.unpack_from("<BI", stream, at)
        out.append((CHUNKS[kind], stream[at + 5:at + 5 + length].hex()))
        assert kind != 1 or (length == 64 and stream[at + 5:at + 13] == b"DXST\1\0\0\0")
        at += 5 + length
    return out

def invent(r):
    opcode = r.choice(sorted(OPCODES))
    flags = r.choice([0, 4, 8, 16, 28, 0x80, 0xfc] if r.random() < .9 else [1, 2, 3, 17, 19])
    size, full = r.choice([0, 1, 2, 9, 40, 300]), r.random() < .5
    if opcode in (0x02, 0x35) and not flags & 3 and not full:
        size = 0
    words = [OPCODES[opcode], "flags=%d" % flags, "sequence=%d" % r.randrange(65536)]
    for name, kind in shape(opcode, flags, full):
        most = 256 ** struct.calcsize("<" + kind) - 65536 * (kind == "Q")  # offset + size stays under 2^64
        if name not in ("zero", "crc"):
            least, most = (400, 600) if name == "status" and opcode == 0x32 else (256 * (name == "opcode"), most)
            words.append("%s=%s" % (name, r.randrange(least, most) if kind else r.randbytes(size).hex()))
    return " ".join(words)

if sys.argv[1] == "document":
    vectors = re.findall(r"^```hex ([\w-]+)\n(.*?)^```", open(sys.argv[2]).read(), re.M | re.S)
    for name, text in vectors:
        data = bytes.fromhex(re.sub(r"#.*|\s", "", text))
        if "chunk-stream" in name or name == "patch-chunk":
            assert b"".join(struct.pack("<BI", {n: v for v, n in CHUNKS.items()}[n], len(b) // 2) + bytes.fromhex(b) for n, b in chunks(data)) == data
        elif name.endswith("without-status"):
            try:
                describe(data)
            except AssertionError:
                continue
            sys.exit(name + " is not refused")
        elif not name.startswith("sealed") and name != "bulk-state":  # the one is secret, the other no frame
            assert encode(describe(data)) == data, name
    print(len(vectors))
elif sys.argv[1] == "check":
    pairs = [line.rstrip("\n").split("\t") for line in sys.stdin]
    for text, data in pairs:
        assert describe(bytes.fromhex(data)) == text and encode(text).hex() == data, text
    print(len(pairs))
else:
    source = random.Random(int(sys.argv[3]))
    for text in (invent(source) for _ in range(int(sys.argv[2]))):
        print(text + "\t" + encode(text).hex())
