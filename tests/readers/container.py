#!/usr/bin/env python3
"""A second reader of docs/formats/container.md, written from that document alone; the inner patch is applied by dxpatch.
usage: container.py apply DXPATCH OLD PATCH NEW      the patch gives NEW from OLD
       container.py foreign PATCH OUT                the patch as one that was made with a zlib that packs to other bytes
       container.py claim PATCH OFFSET OUT          the patch with another fifth byte of the field there in its header
       container.py form OLD PATCH OUT               what its inner patch has as a base
       container.py around PATCH INNER OUT           the patch with another inner patch"""
import lzma, os, subprocess, sys, tempfile, zlib

import bao, container_tokens

DEFLATE, PNG, ZSTD, XZ, TOKENS = 1, 2, 3, 4, 5
HEADER, CHECK = 112, 8

class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, size):
        assert size <= len(self.data) - self.at, "it ends early"
        self.at += size
        return self.data[self.at - size:self.at]
    def byte(self):
        return self.take(1)[0]
    def number(self):
        v = shift = 0
        while True:
            byte = self.byte()
            v |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                assert v < 1 << 64
                return v
    def part(self):
        return Bytes(self.take(self.number()))
    def left(self):
        return len(self.data) - self.at
    def rest(self):
        return self.take(self.left())

def hash_of(data):
    return bao.value(data, 0, bao.ROOT)

def open_patch(patch):
    head = Bytes(patch).take(HEADER)
    assert head[:5] == b"DXC1\1" and 1 <= head[5] <= 2 and not head[6] & 0xc1 and not any(head[40:48])
    lists_size = int.from_bytes(head[32:40], "little")
    b = Bytes(patch[HEADER:])
    text, lists = b.take(head[7]), b.take(lists_size)
    assert b.take(CHECK) == hash_of(head + text + lists)[:CHECK], "the check"
    assert all(32 <= c < 127 for c in text), "the text"
    return head, text, lists, b.rest()

def raw_inflate(data, wrapping=-15):
    d = zlib.decompressobj(wrapping)
    content = d.decompress(data) + d.flush()
    assert d.eof
    return content, len(data) - len(d.unused_data)

def unpack(kind, data):
    """The content of the member at the front, and its size."""
    if kind == DEFLATE:
        return raw_inflate(data)
    if kind == PNG:
        joined, at = b"", 0
        while data[at + 4:at + 8] == b"IDAT":
            size = int.from_bytes(data[at:at + 4], "big")
            chunk, crc = data[at + 4:at + 8 + size], data[at + 8 + size:at + 12 + size]
            if crc != zlib.crc32(chunk).to_bytes(4, "big"):
                break
            joined += chunk[4:]
            at += 12 + size
        content, size = raw_inflate(joined[2:-4])
        assert size == len(joined) - 6 and joined[-4:] == zlib.adler32(content).to_bytes(4, "big")
        return content, at
    assert kind == XZ, "zstd is not read here"
    d = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    content = d.decompress(data)
    assert d.eof
    return content, len(data) - len(d.unused_data)

def pack(way, content):
    kind, level, variant, window, strategy, head, chunk = way
    if kind == XZ:
        assert variant == 0, "threads are not written here"
        return lzma.compress(content, lzma.FORMAT_XZ, strategy, level & 31 | (lzma.PRESET_EXTREME if level & 32 else 0))
    assert kind in (DEFLATE, PNG)
    c = zlib.compressobj(level, zlib.DEFLATED, -window, variant, strategy)
    stream = c.compress(content) + c.flush()
    if kind == DEFLATE:
        return stream
    stream = head + stream + zlib.adler32(content).to_bytes(4, "big")
    out = b""
    for at in range(0, len(stream), chunk):
        part = b"IDAT" + stream[at:at + chunk]
        out += (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
    return out

def known(kind, kinds):
    assert kinds >> kind & 1, "a kind that the header hides"
    return kind

def form_of_old(lists, data, kinds):
    entries, b, out = lists.part(), Bytes(data), b""
    while entries.left():
        out += b.take(entries.number())
        content, size = unpack(known(entries.byte(), kinds), data[b.at:])
        b.take(size)
        out += content
    return out + b.rest()

def rebuild(form, kinds):
    b = Bytes(form)
    recipe, out, way = b.part(), b"", None
    while recipe.left():
        gap, size, kind = recipe.number(), recipe.number(), recipe.byte()
        same = cut = None
        if kind:
            way = (known(kind & 127, kinds), *recipe.take(4))
            way += (recipe.take(2), recipe.number()) if kind & 127 == PNG else (b"", 0)
        if kind & 128:
            same, cut = recipe.number(), recipe.number()
            raw = recipe.take(recipe.number())
        if kind == TOKENS:
            raw = recipe.take(recipe.number())
        assert kind & 127 != TOKENS or kind == TOKENS, "corrected twice"
        out += b.take(gap)
        if way[0] == TOKENS:
            assert kind == TOKENS, "the same way as one of tokens"
            out += container_tokens.pack(way[:5], b.take(size), raw)
            continue
        packed = pack(way, b.take(size))
        if kind & 128:
            assert same + cut <= len(packed)
            packed = packed[:same] + raw + packed[same + cut:]
        out += packed
    return out + b.rest()

def base_form(old, patch):
    head, _, lists, _ = open_patch(patch)
    assert int.from_bytes(head[8:16], "little") == len(old) and head[48:80] == hash_of(old), "another base"
    lists = Bytes(lists)
    for _ in range(head[5]):
        old = form_of_old(lists, old, head[6])
    assert not lists.left()
    return old

def apply(dxpatch, old, patch):
    head, _, _, inner = open_patch(patch)
    old = base_form(old, patch)
    assert inner[5] == 2, "the inner patch is no delta"
    with tempfile.TemporaryDirectory() as work:
        paths = [os.path.join(work, name) for name in ("form", "inner", "made")]
        for path, data in zip(paths, (old, inner)):
            with open(path, "wb") as f:
                f.write(data)
        subprocess.run([dxpatch, "apply", *paths, "--quiet"], check=True)
        new = open(paths[2], "rb").read()
    for _ in range(head[5]):
        new = rebuild(new, head[6])
    assert len(new) == int.from_bytes(head[16:24], "little") and head[80:112] == hash_of(new), "another result"
    return new

def foreign(patch):
    """Another name and version, and as the hash of the result another one: so it looks to whom has another library."""
    head, text, lists, inner = open_patch(patch)
    text = b"zlib 0.0.0"
    head = head[:7] + bytes([len(text)]) + head[8:80] + bytes([head[80] ^ 1]) + head[81:]
    return head + text + lists + hash_of(head + text + lists)[:CHECK] + inner

def claim(patch, at):
    head, text, lists, inner = open_patch(patch)
    head = head[:at + 4] + bytes([head[at + 4] ^ 255]) + head[at + 5:]
    return head + text + lists + hash_of(head + text + lists)[:CHECK] + inner

def read(path):
    with open(path, "rb") as f:
        return f.read()

def write(path, data):
    with open(path, "wb") as f:
        f.write(data)

if sys.argv[1:2] == ["apply"] and len(sys.argv) == 6:
    assert apply(sys.argv[2], read(sys.argv[3]), read(sys.argv[4])) == read(sys.argv[5])
elif sys.argv[1:2] == ["foreign"] and len(sys.argv) == 4:
    write(sys.argv[3], foreign(read(sys.argv[2])))
elif sys.argv[1:2] == ["claim"] and len(sys.argv) == 5:
    write(sys.argv[4], claim(read(sys.argv[2]), int(sys.argv[3])))
elif sys.argv[1:2] == ["form"] and len(sys.argv) == 5:
    write(sys.argv[4], base_form(read(sys.argv[2]), read(sys.argv[3])))
elif sys.argv[1:2] == ["around"] and len(sys.argv) == 5:
    patch = read(sys.argv[2])
    write(sys.argv[4], patch[:len(patch) - len(open_patch(patch)[3])] + read(sys.argv[3]))
else:
    sys.exit(__doc__)
