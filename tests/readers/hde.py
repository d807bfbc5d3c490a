#!/usr/bin/env python3
"""A second reader of docs/formats/hde.md, written from that document alone; zstd frames go through the zstd program.
usage: hde.py vectors | apply OLD RECORD NEW      vectors: those of the document; apply: the record gives NEW from OLD"""
import os, re, subprocess, sys, tempfile

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff

def varint(data, at):
    v = shift = 0
    while True:
        v |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return v, at

def unfold(v):
    return v >> 1 ^ -(v & 1)

class Record:
    def __init__(self, data):
        assert data[:4] == b"DXH1" and crc32c(data[:8] + data[12:]) == int.from_bytes(data[8:12], "little"), "not a whole record"
        self.kind, self.coding, self.stride, self.context = data[4], data[5], 1 << (data[6] & 15), data[6] >> 4
        self.subtract, self.hash_size = data[7] >> 1 & 1, 32 >> (data[7] >> 2 & 3)
        self.size, at = varint(data, 12)
        body, at = varint(data, at)
        self.dictionary, at = varint(data, at)
        self.hash = data[at:at + self.hash_size]
        at += self.hash_size
        if self.kind != 1:
            self.baseline = data[at:at + self.hash_size]
            at += self.hash_size
        self.body = data[at:]
        assert len(self.body) == body, "bytes of the body"

    def change(self, old, v):
        return old + v & 255 if self.subtract else old ^ v

class Range:
    """Section 3."""
    def __init__(self, body):
        self.body, self.at, self.range, self.models = body, 4, 0xffffffff, {}
        self.code = int.from_bytes((body[:4] + bytes(4))[:4], "big")

    def split(self, bound):
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.range -= bound
            self.code -= bound
        while self.range < 1 << 24:
            self.range = self.range << 8
            self.code = self.code << 8 | (self.body[self.at] if self.at < len(self.body) else 0)
            self.at += 1
        return bit

    def bit(self, *model):
        p, n = self.models.get(model, (1 << 21, 0))
        rate = 131072 // (2 * n + 3)
        bit = self.split((self.range >> 15) * (p >> 7 | 1))
        p = p + ((0x3fffff - p) * rate >> 16) if bit else p - (p * rate >> 16)
        self.models[model] = p, min(n + 1, 62)
        return bit

    def tree(self, bits, *name):
        node = 1
        for _ in range(bits):
            node = node << 1 | self.bit(*name, node)
        return node - (1 << bits)

    def number(self, *name):
        length, v = self.tree(6, *name), 1
        assert length <= 32, "a number"
        for k in range(length - 1):
            v = v << 1 | (self.bit(*name, length, v) if k < 3 else self.split(self.range >> 1))
        return v if length else 0

def read_range(r, old):
    s, out, end, last_run = Range(r.body), bytearray(), 0, 0
    while len(out) < r.size:
        gap = s.number("gap")
        for _ in range(gap):
            out.append(s.tree(8, "literal", out[-1] >> 8 - r.context if out else 0))
        end += gap
        assert len(out) <= r.size, "literals"
        if len(out) == r.size:
            break
        own = s.bit("own")
        length = s.number("length") + 1
        if own:
            back = s.number("back") + 1
            for _ in range(length):
                out.append(out[-back])
            end += length
            continue
        at, stop, last = end + unfold(s.number("jump")), len(out) + length, 0
        assert 0 <= at and at + length <= len(old) and stop <= r.size, "a piece"
        end = at + length
        while len(out) < stop:
            run = s.number("run", len(out) % r.stride, 0 if last_run == 0 else 1 if last_run < 8 else 2)
            n = run - 1 if run else stop - len(out)
            out += old[at:at + n]
            at += n
            if not run:
                break
            last_run = n
            last = s.tree(8, "changed", len(out) % r.stride, 0 if n else 1 if last in (1, 255) else 2)
            out.append(r.change(old[at], last))
            at += 1
    assert s.at == len(r.body) + 3, "the end of the body"
    return bytes(out)

def unzstd(frame):
    return subprocess.run(["zstd", "-d", "-c", "--memory=2048MB"], input=frame, stdout=subprocess.PIPE, check=True).stdout

def read_zstd(r, old):
    data = unzstd(r.body)
    assert len(data) <= r.size + r.size // 8 + 1024, "parts"
    if r.kind == 1:
        return data
    i, l = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    literals, shuffled = data[8 + i:8 + i + l], data[8 + i + l:]
    changes, at = bytearray(len(shuffled)), 0
    for lane in range(r.stride):
        n = len(range(lane, len(shuffled), r.stride))
        changes[lane::r.stride] = shuffled[at:at + n]
        at += n
    out, end, at, used, changed = bytearray(), 0, 8, 0, 0
    while at < 8 + i:
        gap, at = varint(data, at)
        kind, at = varint(data, at)
        length, at = varint(data, at)
        where, at = varint(data, at)
        out += literals[used:used + gap]
        used, end, length = used + gap, end + gap, length + 1
        if kind == 2:
            for _ in range(length):
                out.append(out[-where - 1])
            end += length
            continue
        end += unfold(where)
        piece = old[end:end + length]
        assert len(piece) == length, "a piece"
        if kind == 1:
            piece = bytes(r.change(a, b) for a, b in zip(piece, changes[changed:changed + length]))
            changed += length
        out += piece
        end += length
    assert at == 8 + i and changed == len(changes), "parts"
    return bytes(out + literals[used:])

def apply(old, data, new=None):
    r = Record(data)
    if r.kind == 3: # a patch of docs/formats/patch.md, for the reader of that
        assert r.body[5] == 2 and int.from_bytes(r.body[40:48], "little") <= 323472 and not any(r.body[116:120]), "patch"
        with tempfile.TemporaryDirectory() as d:
            for name, content in ("old", old), ("patch", r.body), ("new", new):
                open(os.path.join(d, name), "wb").write(content)
            reader = os.path.join(os.path.dirname(__file__), "patch.py")
            subprocess.run([sys.executable, reader, "apply"] + [os.path.join(d, n) for n in ("old", "patch", "new")], stdout=subprocess.DEVNULL, check=True)
        return new
    out = r.body if r.coding == 0 else read_range(r, old) if r.coding == 1 else read_zstd(r, old)
    assert len(out) == r.size, "the size"
    return out

def vectors():
    text = open("docs/formats/hde.md").read()
    def vector(name):
        return bytes.fromhex("".join(re.search("```hex %s\n(.*?)```" % name, text, re.S).group(1).split()))
    old = bytes(i * i & 255 for i in range(400))
    whole, delta, nack = vector("hde-whole"), vector("hde-delta"), vector("hde-nack")
    assert apply(b"", whole + old[len(whole) - 49:]) == old
    new = bytearray(old)
    new[9], new[200] = 1, 2
    assert apply(old, delta) == new
    asked = Record(nack)
    assert asked.kind == 4 and asked.baseline == Record(delta).baseline and asked.hash == Record(delta).hash
    print("3 vectors of docs/formats/hde.md")

if __name__ == "__main__":
    if sys.argv[1:] == ["vectors"]:
        vectors()
    elif len(sys.argv) == 5 and sys.argv[1] == "apply":
        old, record, new = (open(name, "rb").read() for name in sys.argv[2:])
        assert apply(old, record, new) == new, "another state"
        print(len(new), "bytes from", len(record))
    else:
        sys.exit(__doc__)
