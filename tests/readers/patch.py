#!/usr/bin/env python3
"""A second reader of docs/formats/patch.md, written from that document alone.
usage: patch.py vectors | apply OLD PATCH NEW      vectors: those of the document; apply: the patch gives NEW from OLD"""
import bisect, re, struct, sys

M64 = (1 << 64) - 1

def crc32c(data):
    if not TABLE:
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
            TABLE.append(byte)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff
TABLE = []

def unzigzag(v):
    return v >> 1 ^ -(v & 1)

def signed(v, bits):
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v

class Bytes:
    """Plain coding: bytes and varints."""
    def __init__(self, data, at=0):
        self.data, self.at = data, at
    def byte(self):
        assert self.at < len(self.data), "the stream ends early"
        self.at += 1
        return self.data[self.at - 1]
    def take(self, size):
        assert size <= len(self.data) - self.at, "the stream ends early"
        self.at += size
        return self.data[self.at - size:self.at]
    def varint(self):
        v = shift = 0
        while True:
            b = self.byte()
            v |= (b & 127) << shift
            shift += 7
            assert v <= M64 and shift <= 70, "varint"
            if b < 128:
                return v
    def number(self, _):
        return self.varint()
    def coded_byte(self, _):
        return self.byte()
    def end(self):
        assert self.at == len(self.data), "the stream goes on"

class Row:
    """A model of a symbol: 65536 times the probability that it is at most 0, .. 14."""
    def __init__(self, below=None, tag=None):
        self.below, self.count, self.tag = below or [4096 * (k + 1) for k in range(15)], 0, tag
    def share(self, v):
        return (self.below[v] if v < 15 else 65535) - (self.below[v - 1] if v else 0)
    def adapt(self, v, most=31):
        rate = RATES[self.count]
        self.below = [c - (c * rate >> 16) if k < v else c + ((65535 - c) * rate >> 16) for k, c in enumerate(self.below)]
        self.count += self.count < most
RATES = [32768, 26214, 18725, 14563, 11915, 10082, 8738, 7710, 6898, 6241, 5698, 5242, 4854, 4519, 4228, 3971,
         3744, 3542, 3360, 3196, 3048, 2912, 2788, 2674, 2500, 2300, 2100, 1900, 1700, 1500, 1300, 1150]
ID, FLAG, RAW, BYTE = 312, 325, 429, 431

class Range(Bytes):
    """Range coding, section 3.1."""
    def __init__(self, data, at, flags=True):
        super().__init__(data, at)
        self.range, self.code, self.rows = 0xffffffff, int.from_bytes(self.take(4), "big"), {}
        if flags:
            self.rows = {k: Row([32768] + [65535] * 14) for k in range(FLAG, BYTE)}
    def step(self, below, size):
        self.code, self.range = self.code - below, size
        while self.range < 1 << 24:
            self.range = self.range << 8
            self.code = (self.code << 8 | self.byte()) & 0xffffffff
    def split(self, below):
        """The symbol, with these models for at most 0, .. 14."""
        f, part = [(c * 32704 >> 16) + 4 * k + 4 for k, c in enumerate(below)] + [32768], self.range >> 15
        v = next((k for k in range(15) if f[k] > self.code // part), 15)
        low = f[v - 1] if v else 0
        self.step(low * part, (f[v] - low) * part)
        return v
    def row(self, number):
        return self.rows.setdefault(number, Row())
    def symbol(self, number):
        row = self.row(number)
        v = self.split(row.below)
        row.adapt(v)
        return v
    def coded_byte(self, base):
        high = self.symbol(base)
        return high << 4 | self.symbol(base + 1 + high)
    def even(self, bits):
        v = 0
        while bits:
            n = min(bits, 8)
            part = self.range >> n
            x = min(self.code // part, (1 << n) - 1)
            self.step(x * part, part)
            v, bits = v << n | x, bits - n
        return v
    def number(self, which):
        base = 24 * which
        first = self.symbol(base)
        if first == 15:
            n = self.symbol(base + 15)
            length = 8 + n if n < 15 else 23 + self.even(6)
            assert length <= 63, "a number"
            lead, left, row = 1, length, base + 16 + min(length - 8, 7)
        elif first:
            lead, left, row = 3 - (first & 1), (first + 1) // 2 - 1, base + first
        else:
            return 0
        n = min(left, 3)
        if n:
            lead = lead << n | self.symbol(row)
        return (lead << left - n | self.even(left - n)) - 1

# >>container
def parse(patch):
    assert len(patch) >= 128 and patch[:4] == b"DXP1", "magic"
    assert struct.unpack_from("<I", patch, 124)[0] == crc32c(patch[:124]), "checksum of the header"
    version, kind, hash_kind, coding = patch[4:8]
    base, target, body, block, flags, memory = struct.unpack_from("<QQQIIQ", patch, 8)
    crc, trailer, reserved = struct.unpack_from("<III", patch, 112)
    assert version == (1 if kind == 1 else 4 if coding == 4 else 3) and hash_kind == 1 and reserved == 0 and flags <= 1, "version"
    assert len(patch) == 128 + body + trailer, "size"
    assert crc == crc32c(patch[128:128 + body]), "checksum of the body"
    assert memory >= {1: 1024, 2: 17044, 4: 5696}[kind], "memory size"
    return kind, coding, base, target, block, flags, memory, patch[128:128 + body]

def apply(base, patch):
    kind, coding, base_size, target_size, block, flags, memory, body = parse(patch)
    assert len(base) == base_size, "another base"
    if kind == 1:
        return blocks(base, target_size, block, flags, coding, body)
    if kind == 2 and coding == 4:
        return bytes(Streams(base, target_size, memory, body).out)
    return (Delta(base, target_size, coding, memory, body) if kind == 2 else Flash(base, target_size, block, body)).out

# >>blocks: section 2
def blocks(base, target_size, block_size, flags, coding, body):
    out = bytearray(base) + bytes(max(0, target_size - len(base)))
    limit, at, s = max(len(base), target_size) if flags else target_size, -1, Bytes(body)
    if not flags:
        del out[target_size:]
    while s.at < len(body):
        at += 1 + s.varint()
        place = 0
        count = s.varint()
        assert 1 <= count <= block_size, "runs"
        for _ in range(count):
            b = s.byte() if coding == 3 else 255
            if b < 224:
                skip, size = b, 1
            elif b < 255:
                skip, size = 224 + (b - 224) * 256 + s.byte(), 1
            else:
                skip, size = s.varint(), s.varint()
            place += skip + size
            assert size and place <= block_size and at * block_size + place <= limit, "a run leaves its block"
            for i, v in enumerate(s.take(size), at * block_size + place - size):
                out[i] ^= v
    assert not any(out[target_size:]), "bytes behind the end"
    return bytes(out[:target_size])

# >>delta: section 3
LAYOUTS = {  # section 3.4: first bit and length of the parts from the lowest on, bits of the offset, scale
    "bl": ([(16, 11), (0, 10), (27, 1), (29, 1), (10, 1), (11, 5), (28, 1), (30, 2)], 24, 1),
    "jal": ([(21, 10), (20, 1), (12, 8), (31, 1), (0, 12)], 20, 1),
    "adrp": ([(29, 2), (5, 19), (0, 5), (24, 5), (31, 1)], 21, 12),
    "add": ([(10, 12), (0, 10), (22, 10)], 12, 0),
    "b": ([(0, 32)], 26, 2)}

def gather(layout, w):
    v = at = 0
    for first, length in LAYOUTS[layout][0]:
        v |= (w >> first & ((1 << length) - 1)) << at
        at += length
    return v ^ 0x600000 if layout == "bl" and not v >> 23 & 1 else v

def scatter(layout, v):
    w = at = 0
    v = v ^ 0x600000 if layout == "bl" and not v >> 23 & 1 else v
    for first, length in LAYOUTS[layout][0]:
        w |= (v >> at & ((1 << length) - 1)) << first
        at += length
    return w

class Field:
    """A predictor's parameters: its size, its target address, and how a mapped one becomes a prediction."""
    def __init__(self, size, address, predict, scale=0, store=None):
        self.size, self.address, self.predict, self.scale = size, address & M64, predict, scale
        self.store = store or (lambda v: v.to_bytes(size, "little"))

class Delta:
    def __init__(self, base, target_size, coding, memory, body):
        self.base, self.size, self.out = base, target_size, bytearray()
        literal_bits, self.wrong_bits, self.rich = body[0] & 15, body[0] >> 4 & 3, body[0] >> 6
        assert literal_bits <= 8 and self.rich <= 1 and body[1] in (34, 35) and body[2] <= 32
        assert body[4] == 0 if body[3] == 0 else 8 <= body[3] <= 28 and 5 <= body[4] <= 28, "parameters"
        self.literal_shift, self.region_bits, self.map = 8 - literal_bits, body[2], body[1] == 35
        assert coding == 1 or (coding == 0 and body[:5] == bytes([0, 34, 0, 0, 0])), "parameters"
        self.spare = memory - 2164 - 32 * (431 + (17 << literal_bits) + (17 << self.wrong_bits)) - 4096 * self.map
        self.spare -= 6784 + (2 << body[3]) + (32 << body[4]) if body[3] else 0
        assert self.spare >= 0, "memory size"
        self.s = s = Range(body, 5) if coding else Bytes(body, 5)
        self.mixer = Mixer(s, body[3], body[4]) if body[3] else None
        self.plain, self.raw, self.same = coding == 0, 0, 0
        self.id = self.flags = self.last_run = self.last_diff = 0
        self.corrections = [0] * 1025
        self.old_end = self.new_end = self.hint_at = 0
        if self.map:
            self.count = s.number(0)
            assert 20 * self.count <= self.spare, "memory size"
            self.setup()
            self.list_matches()
            for match in self.matches:
                self.copy(*match)
        else:
            while len(self.out) < target_size:
                gap = s.number(1)
                if gap == target_size - len(self.out):
                    self.put_literals(gap)
                    break
                self.new_end = len(self.out)
                self.copy(*self.match(gap))
        self.put_literals(target_size - len(self.out))
        s.end()
    def list_matches(self):
        self.matches = [self.match() for _ in range(self.count)]
        by_base = sorted(range(self.count), key=lambda k: (self.matches[k][1], k))
        self.starts = [self.matches[k][1] for k in by_base]
        self.furthest = [] # of those that start that early in the base, the one that ends last
        for k in by_base:
            last = self.matches[self.furthest[-1]] if self.furthest else (0, 0, 0)
            further = sum(self.matches[k][1:]) > sum(last[1:])
            self.furthest.append(k if further else self.furthest[-1])
    def setup(self):
        s, self.segments, self.origin = self.s, [], []
        last = [0] * 34
        for _ in range(2):
            side, at = [0] * 34, 0
            while at < 2 + 4 * side[0]:
                side[at] = last[at] + unzigzag(s.number(0)) & M64
                assert side[0] <= 8, "segments"
                at += 1
            self.origin.append(side[1])
            self.segments.append([tuple(side[k:k + 4]) for k in range(2, at, 4)])
            last = side
    def match(self, gap=None):
        gap = self.s.number(1) if gap is None else gap
        size = self.s.number(2) + 1
        old = self.old_end + gap + unzigzag(self.s.number(3))
        new = self.new_end + gap
        assert 0 <= old <= len(self.base) - size and new + size <= self.size, "a match leaves its file"
        self.old_end, self.new_end = old + size, new + size
        return new, old, size
    def put_literals(self, count):
        s, out = self.s, self.out
        for k in range(count):
            hint = self.byte(self.hint_at + k)
            if self.plain:
                out.append(s.byte())
                continue
            if k % 1024 == 0:
                self.raw = s.symbol(RAW + self.raw) & 1
            row = BYTE + 17 * ((1 << self.wrong_bits) + ((out[-1] if out else 0) >> self.literal_shift))
            if self.raw:
                byte = s.even(8)
            elif self.mixer:
                q = int.from_bytes((bytes(4) + out[-4:])[-4:], "big")
                contexts = [q >> 8 & 0xff, q & 0xffff, hint | self.same << 16, q, q >> 8 & 0xffff]
                byte = self.mixer.byte(row, contexts[:5 if self.rich else 2], None)
            else:
                byte = s.coded_byte(row)
            out.append(byte)
            self.same = int(byte == hint)
            if self.mixer:
                self.mixer.keep(byte, out)
    def copy(self, new, old, size):
        self.put_literals(new - len(self.out))
        self.hint_at = old + size
        if self.plain:
            self.out += self.base[old:old + size]
            return
        done, which = 0, 4
        while done < size:
            equal = self.s.number(which)
            assert equal <= -(-(size - done) // 1024), "more equal blocks than there are"
            end, which = min(done + equal * 1024, size), 5
            self.out += self.base[old + done:old + end]
            done = self.block(new, old, end, min(end + 1024, size), size) if end < size else end
    def block(self, new, old, start, end, size):
        first = len(self.out)
        self.id = id = self.predictor()
        assert id <= 12 and (self.map or id == 0), "predictor"
        move = (self.bias(0, old + start), self.bias(1, new + start)) if self.map else (0, 0)
        free, i = max(old + start - 2, 0), start
        block = bytearray(self.base[old + start:old + end])
        limit = min(end + 8, size)
        self.window = old + start, old + limit
        while id and i < end:
            field = self.field(id, old + i, new + i, free, move)
            mapped = field and i + field.size <= limit and (self.mapped(field.address) if id < 10 else (0, 0))
            if not mapped:
                i += 1
                continue
            slot = field.slot if id >= 10 else ((field.address >> self.region_bits) * 0x9E3779B97F4A7C15 & M64) >> 54
            modulo = (1 << 8 * field.size) - 1
            value = field.predict((mapped[0] + signed(self.corrections[slot], 32)) & M64) & modulo
            wrong = self.is_wrong(id, mapped[1])
            self.flags = (self.flags << 1 | wrong) & 3
            if wrong:
                error = unzigzag(self.correction(id) + 1)
                value = (value + error) & modulo
                self.corrections[slot] = (self.corrections[slot] + (error << field.scale)) & 0xffffffff if id < 11 else 0
            block[i - start:i - start + field.size] = field.store(value)
            i += field.size
            free = old + i
            end = max(end, i)
        while len(self.out) - first < end - start:
            at = len(self.out) - first
            run = self.run()
            self.last_run = run - 1 if run else 8
            stop = at + run - 1 if run else end - start
            assert stop < end - start or not run, "a run does not end in its block"
            self.out += block[at:stop]
            if not run:
                break
            byte = self.wrong_byte(block[stop])
            self.out.append(byte)
        return end
    def predictor(self):
        return self.s.symbol(ID + self.id)
    def is_wrong(self, id, sure):
        wrong = self.s.symbol(FLAG + (id * 2 + sure) * 4 + self.flags)
        assert wrong < 2, "a flag"
        return wrong
    def correction(self, id):
        return self.s.number({1: 9, 2: 10, 11: 12, 12: 12}.get(id, 11))
    def run(self):
        return self.s.number(6 if self.last_run == 0 else 7 if self.last_run < 8 else 8)
    def wrong_byte(self, byte):
        z, last = int(self.last_run == 0), self.last_diff
        context = z | 2 * (last in (0, 1, 255)) | 4 * (last >= 128)
        row, before = BYTE + 17 * (context & ((1 << self.wrong_bits) - 1)), self.out[-1] if self.out else 0
        if self.mixer:
            contexts = [1 << 24 | byte << 16 | before << 8 | z, 4 << 24 | last << 8 | min(self.last_run, 15),
                        2 << 24 | last << 16 | byte << 8 | self.id, 3 << 24 | byte << 8 | z]
            self.last_diff = self.mixer.byte(row, contexts[:4 if self.rich else 2], z)
        else:
            self.last_diff = self.s.coded_byte(row)
        return (byte + self.last_diff) & 255
    # >>fields and addresses: section 3.4
    def address(self, side, offset):
        for place, address, in_file, _ in self.segments[side]:
            if (offset - place) & M64 < in_file:
                return (address + offset - place) & M64
        return offset & M64
    def bias(self, side, offset):
        return (self.address(side, offset) - offset) & M64
    def byte(self, at):
        return self.base[at] if 0 <= at < len(self.base) else 0
    def word(self, at, size=4):
        return sum(self.byte(at + k) << 8 * k for k in range(size))
    def field(self, id, o, t, free, move):
        here, there = (o + move[0]) & M64, (t + move[1]) & M64
        behind, b, v = o - free, self.byte(o - 1), self.word(o)
        d = signed(v, 32)
        def relative(address, scale, layout, against):
            number, width = gather(layout, v), LAYOUTS[layout][1]
            return Field(4, address, lambda m: (number >> width << width) | ((m - against) >> scale & ((1 << width) - 1)),
                         scale, lambda n: scatter(layout, n).to_bytes(4, "little"))
        if id in (1, 6):
            near = behind >= 1 and b in (0xe8, 0xe9) or behind >= 2 and b & 0xf0 == 0x80 and self.byte(o - 2) == 0x0f
            if near or (id == 1 and behind >= 2 and b & 0xc7 == 5):
                return Field(4, here + 4 + d, lambda m: m - there - 4)
            return Field(4, v, lambda m: m) if id == 6 and not -65536 <= d <= 65535 else None
        if id == 2:
            wide = self.word(o, 8)
            return Field(8, wide, lambda m: m) if o % 8 == 0 and wide >= 256 else None
        if id == 7 and o % 2 == 0 and v & 0xf800 == 0xf000 and v >> 28 & 13 in (9, 13):
            return relative(here + 4 + 2 * signed(gather("bl", v), 24), 1, "bl", there + 4)
        if id == 9:
            return self.risc_v(o, here, there, v, relative)
        if id == 10:
            return self.leb(o, behind, b)
        if id > 10:
            n = 4 if id == 11 else 8
            f = Field(n, 0, lambda m: self.word(o, n))
            f.slot = 1024 # none: always 0
            return f if o % n == 0 else None
        if o % 4:
            return None
        if id == 3:
            return Field(4, here + d, lambda m: m - there) if not -65536 <= d <= 65535 else None
        if id == 4:
            return Field(4, self.origin[0] + d, lambda m: m - self.origin[1])
        if id in (5, 7):
            return Field(4, v, lambda m: m) if v >= 256 else None
        return self.aarch64(o, here, there, v, relative)
    def aarch64(self, o, here, there, v, relative):
        adds = lambda w: w & 0xffc00000 == 0x91000000 or w & 0x3b000000 == 0x39000000
        scale = lambda w: w >> 30 if w >> 27 & 1 else 0
        page = lambda address, w: (address & ~4095) + (signed(gather("adrp", w), 21) << 12)
        if v & 0x7c000000 == 0x14000000:
            return relative(here + 4 * signed(v, 26), 2, "b", there)
        if v & 0x9f000000 == 0x90000000:
            for at in range(o + 4, min(o + 16, self.window[1] - 4) + 1, 4):
                other = self.word(at)
                if adds(other) and other >> 5 & 31 == v & 31:
                    return relative(page(here, v) + ((other >> 10 & 4095) << scale(other)), 12, "adrp", there & ~4095)
        elif adds(v):
            for at in range(o - 4, max(o - 16, self.window[0]) - 1, -4):
                other = self.word(at)
                if other & 0x9f000000 == 0x90000000 and other & 31 == v >> 5 & 31:
                    number = gather("add", v)
                    return Field(4, page(here - (o - at), other) + ((v >> 10 & 4095) << scale(v)),
                                 lambda m: number >> 12 - scale(v) << 12 - scale(v) | (m & 4095) >> scale(v), scale(v), lambda n: scatter("add", n).to_bytes(4, "little"))
        return None
    def risc_v(self, o, here, there, v, relative):
        if o % 2 == 0 and v & 0xf7f == 0x6f:
            return relative(here + 2 * signed(gather("jal", v), 20), 1, "jal", there)
        second = self.word(o + 4)
        if o % 2 or v & 0x7f != 0x17 or second >> 15 & 31 != v >> 7 & 31 or second & 0x7f not in (0x13, 0x67, 0x03, 0x07, 0x23, 0x27) or o + 8 > self.window[1]:
            return None
        exchange = lambda w: w & 0xfe0ff07f | (w >> 20 & 31) << 7 | (w >> 7 & 31) << 20 if w & 0x7b == 0x23 else w
        second = exchange(second)
        low = (v & 0xfffff000) + signed(second >> 20, 12) & 0xffffffff
        rest = v & 0xfff | (second & 0xfffff) << 12
        def store(n):
            w, top = n & 0xffffffff, n >> 32
            return (w + 0x800 & 0xfffff000 | top & 0xfff | exchange(top >> 12 | (w & 0xfff) << 20) << 32).to_bytes(8, "little")
        return Field(8, here + signed(low, 32), lambda m: rest << 32 | (m - there & 0xffffffff), 0, store)
    def leb(self, o, behind, opcode):
        if behind < 1 or opcode not in (0x10, 0x23, 0x24, 0x41):
            return None
        n = next((n for n in range(1, 6) if o + n <= self.window[1] and self.byte(o + n - 1) < 128), 0)
        if n == 0 or (n == 1 and opcode != 0x10):
            return None
        raw = [self.byte(o + k) for k in range(n)]
        number = sum((b & 127) << 7 * k for k, b in enumerate(raw))
        top = sum((b >> 7) << 7 * n + k for k, b in enumerate(raw))
        f = Field(n, 0, lambda m: (number + m & (1 << 7 * n) - 1) | top, 0, lambda v: leb_bytes(v, n))
        key = (number | top) & (1 << 35) - 1 | opcode << (33 if opcode == 0x10 else 40)
        f.slot = ((key >> self.region_bits) * 0x9E3779B97F4A7C15 & M64) >> 54
        return f
    def mapped(self, a):
        for k, (place, address, in_file, in_memory) in enumerate(self.segments[0]):
            e = (a - address) & M64
            if e >= in_memory:
                continue
            if e < in_file:
                offset, sure = (place + e) & M64, 0
                if self.matches:
                    at = max(bisect.bisect_right(self.starts, offset) - 1, 0)
                    new, old, size = self.matches[self.furthest[at]]
                    sure = int(0 <= offset - old < size)
                    offset += new - old
                return self.address(1, offset & M64), sure
            if k < len(self.segments[1]):
                other = self.segments[1][k]
                return other[1] + other[2] + e - in_file, 0
            return a, 0
        return None

# >>mixing: section 3.5
class Mixer:
    def __init__(self, stream, history_log, groups_log):
        self.s, self.history_log, self.groups_log, self.rows = stream, history_log, groups_log, {}
        self.weights = [[8192] * 7 for _ in range(192)]
        self.literals, self.table, self.at, self.length = bytearray(), {}, 0, 0
        self.repeats = [Row() for _ in range(128)]
    def row(self, context, i, n, like):
        h = ((context + (i + 1) * 0x632BE5AB) * 0x9E3779B1) & 0xffffffff
        h = (h ^ h >> 15) * 0x2C1B3C6D & 0xffffffff
        row, tag = self.rows.get(h >> 32 - self.groups_log ^ n), (h | 1) & 0x7ff
        new = Row(list(like.below), tag)
        if row and row.tag == tag:
            new.below, new.count = list(row.below), row.count
        new.place = h >> 32 - self.groups_log ^ n
        return new
    def byte(self, base, contexts, z):
        length, high = self.length if z is None else 0, None
        expected = self.literals[self.at] if length else None
        for half in range(2):
            own = self.s.row(base + (1 + high if half else 0))
            rows = [own] + [self.row(c, i, 1 + high if half else 0, own) for i, c in enumerate(contexts)]
            kind = 4 + z if z is not None else 0
            if length and (not half or expected >> 4 == high):
                kind = 1 if length < 4 else 2 if length < 15 else 3
                rows.append(self.repeats[kind * 32 + half * 16 + (expected & 15 if half else expected >> 4)])
            often = [0 if row.count == 0 else 1 if row.count == 1 else 2 if row.count < 5 else 3 for row in rows]
            weights = self.weights[(kind * 4 + often[2]) * 8 + often[1] * 2 + half]
            v = self.blend(rows, weights)
            for row in rows[1:1 + len(contexts)]:
                self.rows[row.place] = row
            high = high << 4 | v if half else v
        return high
    def blend(self, rows, weights):
        weights[0] = 65535 - sum(weights[1:len(rows)])
        mix = [sum(row.below[k] * w >> 16 for row, w in zip(rows, weights)) for k in range(15)]
        v = self.s.split(mix)
        scale = (1 << 20) // ((mix[v] if v < 15 else 65535) - (mix[v - 1] if v else 0) + 1)
        for k in range(1, len(rows)):
            w = weights[k]
            w += (w * ((rows[k].share(v) >> 4) * scale >> 8) >> 12) - (w >> 4)
            weights[k] = min(max(w, 64), 60000)
        while sum(weights[1:len(rows)]) > 65000:
            weights[1:len(rows)] = [w - (w >> 3) for w in weights[1:len(rows)]]
        for k, row in enumerate(rows):
            row.adapt(v, 20 if k else 31)
        return v
    def keep(self, byte, out):
        goes_on = self.length and self.literals[self.at] == byte
        self.literals.append(byte)
        self.length, self.at = (min(self.length + 1, 15), self.at + 1) if goes_on else (0, 0)
        last = int.from_bytes((bytes(5) + out[-5:])[-5:], "big")
        slot = ((last << 24) * 0x9E3779B97F4A7C15 & M64) >> 66 - self.history_log
        if not self.length and slot in self.table:
            self.length, self.at = 1, self.table[slot]
        self.table[slot] = len(self.literals)

def leb_bytes(value, n):
    return bytes((value >> 7 * k & 127) | (value >> 7 * n + k & 1) << 7 for k in range(n))

# >>streams: section 6
class Bits:
    """Bits, lowest first in each byte."""
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, count):
        end = self.at + count
        assert end <= 8 * len(self.data), "the bits end early"
        v = int.from_bytes(self.data[self.at // 8:(end + 7) // 8], "little") >> self.at % 8
        self.at = end
        return v & ((1 << count) - 1)
    def ones(self):
        n = 0
        while self.take(1):
            n += 1
        return n
    def end(self):
        left = 8 * len(self.data) - self.at
        assert left < 8 and self.take(left) == 0, "the bits go on"

def table(bits):
    top, log, count = bits.take(8), bits.take(3) + 5, bits.take(9)
    assert log <= 12 and count <= 256, "a table"
    slots, s, length = [0] * 256, 0, 1
    while s < count:
        if s == top:
            s += 1
            continue
        if bits.take(1):
            if bits.take(1):
                n = bits.ones()
                s += (1 << n) + bits.take(n)
                continue
            less, by = bits.take(1), bits.ones() + 1
            length += -by if less else by
            assert 1 <= length <= 12, "a number of slots"
        known = min(length - 1, 3)
        slots[s] = (1 << known | bits.take(known)) << length - 1 - known
        s += 1
    slots[top] = (1 << log) - sum(slots)
    assert slots[top] > 0, "too many slots"
    return slots, log

def coded(s, size):
    out, chunk = bytearray(), s.byte()
    assert 10 <= chunk <= 17, "the size of a block"
    while len(out) < size:
        part, bits = min(size - len(out), 1 << chunk), Bits(s.data[s.at:])
        slots, log = table(bits)
        s.take((bits.at + 7) // 8)
        payload = Bytes(s.take(s.varint()))
        spread = [(v, j) for v in range(256) for j in range(slots[v])]
        states = [int.from_bytes(payload.take(4), "little") for _ in range(1 if part < 512 else 4)]
        for i in range(part):
            x = states[i % len(states)]
            v, j = spread[x & (1 << log) - 1]
            x = slots[v] * (x >> log) + j
            states[i % len(states)] = x if x >= 65536 else x << 16 | int.from_bytes(payload.take(2), "little")
            out.append(v)
        assert set(states) == {65536}, "a block ends in the wrong state"
        payload.end()
    return bytes(out)

def stream(s, inner=False):
    head = s.varint()
    size, form = head >> 2, head & 3
    if form == 0:
        return bytes(s.take(size))
    if form == 1:
        return bytes([s.byte()]) * size
    if form == 2:
        return coded(s, size)
    assert not inner, "repeats in repeats"
    copies, out = Copies(s, Lines(), True), bytearray()
    literals = Bytes(stream(s, True))
    while len(out) < size:
        run, code, source, count = copies.next(len(out), size - len(out), size)
        out += literals.take(run)
        assert source is None or code >= 4 and code < 37, "a copy from a base that there is not"
        for _ in range(count):
            out.append(out[len(out) - copies.lines.back])
    copies.end()
    literals.end()
    return bytes(out)

class Lines:
    def __init__(self):
        self.shift, self.end, self.back = [0, 0, 0], 0, 0
    def move(self, at, source, size):
        d, (first, second, third) = source - at, self.shift
        if d != first:
            self.shift = [d, first, third if d == second else second]
        self.end = source + size

class Copies:
    def __init__(self, s, lines, inner=False):
        self.runs, self.sources, self.sizes = (Bytes(stream(s, inner)) for _ in range(3))
        self.bits, self.lines = Bits(s.take(s.varint())), lines
    def number(self, code):
        if code < 16:
            return code
        bits = 3 + (code - 16) // 2
        return 2 + (code & 1) << bits | self.bits.take(bits)
    def far(self, n):
        return 1 << n | self.bits.take(n)
    def next(self, at, left, window):
        """Literals, and the copy after them: its code, source and size."""
        l, run = self.lines, self.number(self.runs.byte())
        assert run <= left, "literals leave the gap"
        if run == left:
            return run, None, None, 0
        at, code = at + run, self.sources.byte()
        if code <= 3:
            source = l.end if code == 1 else at + l.shift[max(code - 1, 0)]
        elif code < 37:
            l.back = self.far(code - 5) if code > 4 else l.back
            assert 0 < l.back <= min(at, window), "a copy from before the window"
            source = at - l.back
        else:
            assert code < 37 + 124, "a source"
            source = l.end + self.far((code - 37) // 2) * (-1 if code - 37 & 1 else 1)
        size = self.number(self.sizes.byte()) + 1
        assert size <= left - run, "a copy leaves the gap"
        if code <= 3 or code >= 37:
            l.move(at, source, size)
        return run, code, source, size
    def end(self):
        for s in (self.runs, self.sources, self.sizes, self.bits):
            s.end()

class Shelf:
    def __init__(self, s, hinted):
        head = s.byte()
        self.mode, count = head & 3, head >> 2
        assert self.mode <= 2 and 1 <= count <= 16 and (self.mode == 2 or count == (4 if self.mode and not hinted else 1)), "a shelf"
        self.list = stream(s) if self.mode == 2 else bytes(256)
        assert len(self.list) == 256 and max(self.list) < count, "the list of a shelf"
        self.streams = [Bytes(stream(s, True)) for _ in range(count)]
    def byte(self, which):
        return self.streams[which].byte()
    def end(self):
        for s in self.streams:
            s.end()

class Numbers:
    """Corrections: varints, or their lengths and bytes in streams of their own."""
    def __init__(self, s):
        split = s.byte()
        assert split <= 1, "corrections"
        self.lengths, self.planes = Bytes(stream(s)), None
        if split:
            counts = [self.lengths.data.count(k) for k in range(5)]
            assert sum(counts[1:]) == len(self.lengths.data), "lengths of corrections"
            self.planes = [None] + [[Bytes(stream(s)) for _ in range(k)] if counts[k] else [] for k in range(1, 5)]
            assert all(len(p.data) == counts[k] for k in range(1, 5) for p in self.planes[k]), "a plane"
    def next(self):
        if not self.planes:
            return self.lengths.varint()
        return sum(p.byte() << 8 * k for k, p in enumerate(self.planes[self.lengths.byte()]))

class Kinds:
    """Numbers, each kind in a stream of its own."""
    def __init__(self, streams):
        self.streams = streams
    def number(self, which):
        return self.streams[which].varint()

class Streams(Delta):
    def __init__(self, base, target_size, memory, body):
        s = Bytes(body)
        self.base, self.size, self.out = base, target_size, bytearray()
        has_map, self.region_bits, window, index = s.take(4)
        section_max, decoded_max, self.count = struct.unpack("<III", s.take(12))
        assert has_map <= 1 and self.region_bits <= 32 and (window == 0 or 10 <= window <= 26) and (index == 0 or has_map and 6 <= index <= 20), "parameters"
        self.map, self.window_size = has_map == 1, 1 << window if window else 0
        assert self.map or not self.count, "matches without a map"
        need = 18548 + section_max + decoded_max + self.window_size + self.map * (4096 + 20 * self.count)
        assert need + (4 * (2 + (len(base) >> index)) if index else 0) <= memory, "memory size"
        self.flags = self.last_run = self.old_end = self.new_end = self.next = 0
        self.lines, self.current, self.matches = Lines(), None, []
        if self.map and target_size:
            part = self.section_head(s, section_max)[0]
            self.s = Kinds([Bytes(stream(part)) for _ in range(4)])
            part.end()
            self.setup()
            self.list_matches()
            for kind in self.s.streams:
                kind.end()
        while len(self.out) < target_size:
            part, size = self.section_head(s, section_max)
            assert 1 <= size <= target_size - len(self.out), "the size of a section"
            self.section(part, len(self.out) + size)
        s.end()
    def section_head(self, s, section_max):
        size, target = s.varint(), s.varint()
        assert size <= section_max, "a section that is too large"
        return Bytes(s.take(size)), target
    def section(self, s, end):
        out = self.out
        self.copies, self.plain, self.hinted = Copies(s, self.lines), Shelf(s, False), Shelf(s, True)
        kinds = [self.copies, self.plain, self.hinted]
        if self.map:
            self.equal, self.ids, self.right, self.runs, self.wrong = (Bytes(stream(s)) for _ in range(5))
            self.fixes = [Numbers(s) for _ in range(4)]
            kinds += [self.equal, self.ids, self.right, self.runs, self.wrong] + [n.lengths for n in self.fixes]
            self.right_left = self.right.varint() if self.right.data else None
            self.bytes_of_runs = self.wrong if self.wrong.data else self.runs
        s.end()
        self.corrections = [0] * 1025
        while len(out) < end:
            if not self.current and self.next < len(self.matches) and self.matches[self.next][0] == len(out):
                self.current = self.matches[self.next]
                self.lines.move(*self.current)
                self.next += 1
            if self.current:
                self.go_on(min(end, self.current[0] + self.current[2]))
            else:
                self.gap(min(end, self.matches[self.next][0] if self.next < len(self.matches) else self.size))
        for kind in kinds:
            kind.end()
    def gap(self, end):
        out = self.out
        while len(out) < end:
            run, code, source, size = self.copies.next(len(out), end - len(out), self.window_size)
            for _ in range(run):
                if code == 0 and run <= 8:
                    old = self.byte(len(out) + self.lines.shift[0])
                    byte = self.hinted.byte(self.hinted.list[old])
                    out.append((byte + old) & 255 if self.hinted.mode == 1 else byte)
                else:
                    before = out[-1] if out else 0
                    out.append(self.plain.byte(len(out) & 3 if self.plain.mode == 1 else self.plain.list[before]))
            if size and 4 <= code < 37:
                for _ in range(size):
                    out.append(out[len(out) - self.lines.back])
            elif size:
                assert 0 <= source <= len(self.base) - size, "a copy leaves the base"
                out += self.base[source:source + size]
    def go_on(self, end):
        (new, old, size), out = self.current, self.out
        while len(out) < end:
            equal = self.equal.varint()
            assert equal <= -(-(end - len(out)) // 1024), "more equal blocks than there are"
            done = min(len(out) + equal * 1024, end) - new
            out += self.base[old + len(out) - new:old + done]
            if len(out) < end:
                self.block(new, old, done, min(done + 1024, size), size)
            assert len(out) <= end, "a section ends within a block"
        if len(out) == new + size:
            self.current = None
    def predictor(self):
        return self.ids.byte()
    def is_wrong(self, id, sure):
        if self.right_left is None or self.right_left:
            self.right_left = self.right_left and self.right_left - 1
            return 0
        return 1
    def correction(self, id):
        self.right_left = self.right.varint() if self.right.at < len(self.right.data) else None
        return self.fixes[{1: 0, 2: 1, 11: 3, 12: 3}.get(id, 2)].next()
    def run(self):
        return self.runs.varint()
    def wrong_byte(self, byte):
        return (byte + self.bytes_of_runs.byte()) & 255

# >>flash: section 4
class Flash:
    def __init__(self, base, size, page, body):
        gap = struct.unpack_from("<I", body)[0]
        pages = [-(-len(base) // page), -(-size // page)]
        sums = struct.unpack_from("<%dI" % sum(pages), body, 4)
        assert 1 <= gap < 1 << 30 and list(sums[:pages[0]]) == [crc32c(base[k:k + page]) for k in range(0, len(base), page)], "pages of the base"
        s = Range(body, 4 + 4 * sum(pages), False)
        out, old_end, last = bytearray(size), 0, 0
        n = 0
        while n < size:
            run = s.number(0)
            assert run <= size - n
            old_end += run
            for _ in range(run):
                out[n] = s.coded_byte(161)
                n += 1
            if n == size:
                break
            length, old = s.number(1) + 1, old_end + unzigzag(s.number(2))
            assert length <= size - n and 0 <= old <= len(base) - length, "a match"
            old_end = old + length
            while length:
                run = s.number(3 if last == 0 else 4 if last < 8 else 5)
                last = run - 1 if run else 8
                right = run - 1 if run else length
                assert right + (run > 0) <= length, "a run"
                for k in range(right + (run > 0)):
                    assert old // page + gap > n // page, "a match reads what is gone"
                    diff = s.coded_byte(144) if k == right else 0
                    out[n] = (base[old] + diff) & 255
                    n, old, length = n + 1, old + 1, length - 1
        s.end()
        self.out = bytes(out)
        assert list(sums[pages[0]:]) == [crc32c(self.out[k:k + page]) for k in range(0, size, page)], "pages of the target"

# >>vectors of the document
def vectors():
    text = open("docs/formats/patch.md").read()
    def vector(name):
        return bytes.fromhex("".join(re.sub("#.*", "", line) for line in
                                     re.search("```hex %s\n(.*?)```" % name, text, re.S).group(1).split("\n")))
    fox = b"The quick brown fox jumps over the lazy dog. 0123456789abcdef"
    jumped = b"The quick brown fox jumped over a lazy dog. 0123456789ABCDEFabcdef"
    greek = b"; ".join([b"alpha beta gamma delta epsilon zeta eta theta iota kappa"] * 3)
    two = bytearray(8192)
    two[0], two[4096] = 0xaa, 0xbb
    count = bytes(k & 255 for k in range(600))
    cases = {"blocks": (bytes(8192), bytes(two)), "blocks-brief": (bytes(8192), bytes(two)), "delta-plain": (fox, jumped),
             "delta-range": (fox, jumped), "delta-repeats": (fox, greek), "delta-streams": (fox, greek), "flash": (count, bytes([7]) * 30 + count[:570])}
    for name, (old, new) in cases.items():
        out = apply(old, vector(name))
        assert out == new, (name, out[:80])
    print(len(cases), "vectors of docs/formats/patch.md")

if __name__ == "__main__":
    if sys.argv[1:] == ["vectors"]:
        vectors()
    elif len(sys.argv) == 5 and sys.argv[1] == "apply":
        old, patch, new = (open(name, "rb").read() for name in sys.argv[2:])
        out = apply(old, patch)
        at = next((k for k, (a, b) in enumerate(zip(out, new)) if a != b), None)
        assert out == new, "%d of %d bytes, the first other one is %s" % (len(out), len(new), at)
        print(len(new), "bytes from", len(patch))
    else:
        sys.exit(__doc__)
