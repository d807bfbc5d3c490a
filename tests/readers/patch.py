#!/usr/bin/env python3
"""A second reader of docs/PATCH.md, written from that document alone.
usage: patch.py vectors | apply OLD PATCH NEW      vectors: those of the document; apply: the patch gives NEW from OLD"""
import re, struct, sys

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

def unfold(v):
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
    def tree(self, _, __):
        return self.byte()
    def end(self):
        assert self.at == len(self.data), "the stream goes on"

class Range(Bytes):
    """Range coding, section 3.1."""
    RATES = [1] + [2] * 2 + [3] * 4 + [4] * 8 + [5] * 16 + [6] * 32 + [7]
    def __init__(self, data, at, counting=True):
        super().__init__(data, at)
        self.range, self.code, self.counting, self.models = 0xffffffff, int.from_bytes(self.take(4), "big"), counting, {}
    def normalise(self):
        while self.range < 1 << 24:
            self.range = self.range << 8
            self.code = (self.code << 8 | self.byte()) & 0xffffffff
    def split(self, bound):
        bit = self.code >= bound
        if bit:
            self.code -= bound
            self.range -= bound
        else:
            self.range = bound
        self.normalise()
        return int(bit)
    def probability(self, model):
        fast, slow, _ = self.models.get(model, (32768, 32768, 0))
        return (fast + slow) >> 5
    def adapt(self, model, bit):
        fast, slow, count = self.models.get(model, (32768, 32768, 0))
        s = self.RATES[min(count, 63)] if self.counting else 7
        f = min(s, 4)
        if bit:
            fast, slow = fast - (fast >> f), slow - (slow >> s)
        else:
            fast, slow = fast + ((65536 - fast) >> f), slow + ((65536 - slow) >> s)
        self.models[model] = fast, slow, count + 1
    def bit(self, model):
        bit = self.split((self.range >> 12) * self.probability(model))
        self.adapt(model, bit)
        return bit
    def even(self):
        self.range &= ~1
        return self.split(self.range // 2)
    def tree(self, base, bits):
        node = 1
        for _ in range(bits):
            node = node << 1 | self.bit(base + node)
        return node - (1 << bits)
    def number(self, which):
        base = 128 * which
        length, v, lead = self.tree(base, 6), 1, 1
        for i in range(length):
            if i < 2:
                bit = self.bit(base + 64 + 4 * min(length, 15) + lead)
                lead = lead << 1 | bit
            else:
                bit = self.even()
            v = v << 1 | bit
        return v - 1

# >>container
def parse(patch):
    assert len(patch) >= 128 and patch[:4] == b"DXP1", "magic"
    assert struct.unpack_from("<I", patch, 124)[0] == crc32c(patch[:124]), "checksum of the header"
    version, kind, hash_kind, coding = patch[4:8]
    base, target, body, block, flags, memory = struct.unpack_from("<QQQIIQ", patch, 8)
    crc, trailer, reserved = struct.unpack_from("<III", patch, 112)
    assert version == 1 and hash_kind == 1 and reserved == 0 and flags <= 1, "version"
    assert len(patch) == 128 + body + trailer, "size"
    assert crc == crc32c(patch[128:128 + body]), "checksum of the body"
    return kind, coding, base, target, block, flags, patch[128:128 + body]

def apply(base, patch):
    kind, coding, base_size, target_size, block, flags, body = parse(patch)
    assert len(base) == base_size, "another base"
    if kind == 1:
        return blocks(base, target_size, block, flags, coding, body)
    return (Delta(base, target_size, coding, body) if kind == 2 else Flash(base, target_size, block, body)).out

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

# >>mixing: section 3.5
class Mixer:
    T = [1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975,
         4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094]
    R = [32768, 26214, 18725, 14563, 11915, 10082, 8738, 7710, 6898, 6241, 5698, 5242, 4854, 4519, 4228, 3971]
    def __init__(self, s, history_log, groups_log):
        self.s, self.log, self.groups_log = s, history_log, groups_log
        self.weights = [[20000] * 7 for _ in range(6)]
        self.repeats = [65535 - (32768 >> k // 2) for k in range(16)]
        self.stretch, x = [], -2047
        for p in range(4095):
            while self.squash(x) < p:
                x += 1
            self.stretch.append(x)
        self.stretch.append(2047)
        self.groups, self.heads, self.literals, self.at, self.length = {}, {}, bytearray(), 0, 0
    def squash(self, x):
        if abs(x) > 2047:
            return 4095 if x > 0 else 1
        i, r = (x + 2048) >> 7, (x + 2048) & 127
        return (self.T[i] * (128 - r) + self.T[i + 1] * r + 64) >> 7
    def group(self, context, i, n):
        h = ((context + (i + 1) * 0x632BE5AB) * 0x9E3779B1 + n * 0x85EBCA6B) & 0xffffffff
        h = (h ^ h >> 15) * 0x2C1B3C6D & 0xffffffff
        place, tag = h >> (32 - self.groups_log), h & 0xffff | 1
        group = self.groups.setdefault(place, [0] * 16)
        if group[0] != tag:
            group[:] = [tag] + [32768] * 15 # in place: two contexts may share it now
        return group
    def byte(self, model, contexts, expected, weights):
        s, node = self.s, 1
        for n in range(7, -1, -1):
            if n in (7, 3):
                groups, sub = [self.group(c, i, node) for i, c in enumerate(contexts)], 1
            x = [self.stretch[g[sub] >> 4] for g in groups] + [self.stretch[4095 - s.probability(model + node)]]
            known = expected >> (n + 1) == node
            guess = expected >> n & 1
            repeat = self.stretch[self.repeats[self.length] >> 4] if known else 0
            x.append(repeat if guess else -repeat)
            total = sum(a * w for a, w in zip(x, weights))
            total = abs(total) // 65536 * (1 if total > 0 else -1)
            p = self.squash(max(-2047, min(2047, total)))
            bit = s.split((s.range >> 12) * (4096 - p))
            e = (4096 * bit - p) * 10
            for k, a in enumerate(x):
                weights[k] += abs(a * e) // 65536 * (1 if a * e > 0 else -1)
            for g in groups:
                share, count = g[sub] >> 4, g[sub] & 15
                share += (4095 - share) * self.R[count] >> 16 if bit else -(share * self.R[count] >> 16)
                g[sub] = share << 4 | min(count + 1, 15)
            s.adapt(model + node, bit)
            if known:
                r = self.repeats[self.length]
                self.repeats[self.length] = r + ((65535 - r) >> 6) if guess == bit else r - (r >> 6)
            node, sub = node << 1 | bit, sub << 1 | bit
        return node & 255
    def literal(self, model, out, hint, same):
        q = int.from_bytes(out[-4:], "big")
        contexts = [q & 0xffff, q >> 8 & 255, q >> 8 & 0xffff, q >> 16, hint | same << 16]
        expected = 256 + self.literals[self.at] if self.length else 0
        return self.byte(model, contexts, expected,
                         self.weights[0 if not self.length else 1 if self.length < 4 else 2 if self.length < 15 else 3])
    def note(self, out): # after a literal
        if self.length and self.literals[self.at] == out[-1]:
            self.at, self.length = self.at + 1, min(self.length + 1, 15)
        else:
            self.length = 0
        self.literals.append(out[-1])
        place = (int.from_bytes(out[-5:], "big") << 24) * 0x9E3779B97F4A7C15 % (1 << 64) >> (66 - self.log)
        if not self.length and place in self.heads and len(self.literals) - self.heads[place] < 1 << self.log:
            self.at, self.length = self.heads[place], 1
        elif not self.length and place in self.heads:
            raise AssertionError("a repeat that far back needs a ring")
        self.heads[place] = len(self.literals)

# >>delta: section 3
ORDERS = {"bl": ((16, 11), (0, 10), (27, 1), (29, 1), (10, 1), (11, 5), (28, 1), (30, 2)), "b": ((0, 32),),
          "jal": ((21, 10), (20, 1), (12, 8), (31, 1), (0, 12)), "adrp": ((29, 2), (5, 19), (0, 5), (24, 5), (31, 1)),
          "low": ((10, 12), (0, 10), (22, 10))}

def gather(order, w):
    at = v = 0
    for first, size in ORDERS[order]:
        v |= (w >> first & ((1 << size) - 1)) << at
        at += size
    return v ^ 0x600000 if order == "bl" and not v >> 23 & 1 else v

def scatter(order, v):
    v, at, w = v ^ 0x600000 if order == "bl" and not v >> 23 & 1 else v, 0, 0
    for first, size in ORDERS[order]:
        w |= (v >> at & ((1 << size) - 1)) << first
        at += size
    return w

class Delta:
    def __init__(self, base, target_size, coding, body):
        self.base, self.size, self.out = base, target_size, bytearray()
        literal_bits, self.wrong_bits = body[0] & 15, body[0] >> 4
        assert literal_bits <= 8 and self.wrong_bits <= 3 and body[1] in (32, 33) and body[2] <= 32, "parameters"
        assert (8 <= body[3] <= 28 and 4 <= body[4] <= 28) if body[3] else not body[4], "parameters"
        self.literal_shift, self.region_bits = 8 - literal_bits, body[2]
        self.map, self.coding = body[1] == 33, coding
        assert coding in (0, 1) and (coding or (body[0] == body[2] == body[3] == 0 and not self.map)), "parameters"
        self.s = s = Range(body, 5) if coding else Bytes(body, 5)
        self.mixer = Mixer(s, body[3], body[4]) if body[3] else None
        self.id = self.flags = self.last_diff = self.last_run = self.raw = self.same = 0
        self.corrections = [0] * 1024
        self.old_end = self.new_end = self.hint = 0
        if self.map:
            self.setup()
            covers = [self.cover() for _ in range(self.count)]
            self.covers = covers
            self.order = sorted(range(len(covers)), key=lambda k: (covers[k][1], k))
            for cover in covers:
                self.copy(*cover)
        else:
            while len(self.out) < target_size:
                gap = s.number(1)
                if gap == target_size - len(self.out):
                    self.put_literals(gap)
                    break
                self.new_end = len(self.out)
                self.copy(*self.cover(gap))
        self.put_literals(target_size - len(self.out))
        s.end()
    def setup(self):
        s, self.segments, self.origin = self.s, [], []
        self.count = s.number(0)
        for _ in range(2):
            count = unfold(s.number(0))
            assert 0 <= count <= 8, "segments"
            self.origin.append(unfold(s.number(0)) & M64)
            self.segments.append([tuple(unfold(s.number(0)) & M64 for _ in range(4)) for _ in range(count)])
    def cover(self, gap=None):
        gap = self.s.number(1) if gap is None else gap
        size = self.s.number(2) + 1
        old = self.old_end + gap + unfold(self.s.number(3))
        new = self.new_end + gap
        assert 0 <= old <= len(self.base) - size and new + size <= self.size, "a cover leaves its file"
        self.old_end, self.new_end = old + size, new + size
        return new, old, size
    def put_literals(self, count):
        s, out = self.s, self.out
        for i in range(count):
            if i % 1024 == 0 and self.coding:
                self.raw = s.bit(1800 + self.raw)
            hint = self.byte(self.hint + i) if self.mixer else 0
            model = 1802 + 256 * ((1 << self.wrong_bits) + ((out[-1] if out else 0) >> self.literal_shift))
            if self.raw:
                v = 0
                for _ in range(8):
                    v = v << 1 | s.even()
            elif self.mixer:
                v = self.mixer.literal(model, out, hint, self.same)
            else:
                v = s.tree(model, 8)
            out.append(v)
            self.same = int(hint == v)
            if self.mixer:
                self.mixer.note(out)
    def copy(self, new, old, size):
        self.put_literals(new - len(self.out))
        self.hint, done, later, out = old + size, 0, 0, self.out
        while done < size:
            left = -(-(size - done) // 1024)
            n = self.s.number(4 + later) if self.coding else left
            assert n <= left, "equal blocks"
            end = min(size, done + 1024 * n)
            out += self.base[old + done:old + end]
            done, later = end, 1
            if done < size:
                done += self.block(new + done, old + done, min(1024, size - done), min(1032, size - done))
    def block(self, new, old, size, limit):
        s, base, block = self.s, self.base, bytearray(self.base[old:old + limit])
        self.id = id = s.tree(1624 + 16 * self.id, 4)
        assert id <= 10 and (self.map or id == 0), "predictor"
        move, i, last = (self.bias(0, old), self.bias(1, new)), 0, max(old - 2, 0)
        while id and i < size:
            field = self.predict(id, old, i, limit, old + i - last, new + i, move)
            if not field:
                i += 1
                continue
            n, form, prediction, sure, slot, scale = field
            bits = 64 if form == "auipc" else 8 * n
            wrong = s.bit(1536 + (id * 2 + sure) * 4 + self.flags)
            self.flags = (self.flags << 1 | wrong) & 3
            error = unfold(s.number({1: 9, 2: 10}.get(id, 11)) + 1) if wrong else 0
            value = (prediction + error) & ((1 << bits) - 1)
            self.corrections[slot] = (self.corrections[slot] + (error << scale)) & 0xffffffff
            block[i:i + n] = store(form, value, n)
            i += n
            last = old + i
        size, at = max(size, last - old), 0
        while at < size:
            run = s.number(6 if self.last_run == 0 else 7 if self.last_run < 8 else 8)
            self.last_run = run - 1 if run else 8
            assert run <= size - at, "a run does not end in its block"
            if not run:
                break
            at += run
            z = int(self.last_run == 0)
            context = (z | 2 * (self.last_diff in (0, 1, 255)) | 4 * (self.last_diff >= 128)) & ((1 << self.wrong_bits) - 1)
            model, wrong, last = 1802 + 256 * context, block[at - 1], self.last_diff
            if self.mixer:
                before = block[at - 2] if at > 1 else self.out[-1] if self.out else 0
                self.last_diff = self.mixer.byte(model, [1 << 24 | wrong << 8 | z, 2 << 24 | wrong << 16 | before << 8 | z,
                                                         3 << 24 | last << 8 | min(self.last_run, 15),
                                                         4 << 24 | last << 16 | wrong << 8 | id], 0, self.mixer.weights[4 + z])
            else:
                self.last_diff = s.tree(model, 8)
            block[at - 1] = (wrong + self.last_diff) & 255
        self.out += block[:size]
        return size
    # >>addresses: section 3.4
    def address(self, side, offset):
        for place, address, in_file, _ in self.segments[side] if self.map else ():
            if (offset - place) & M64 < in_file:
                return (address + offset - place) & M64
        return offset & M64
    def bias(self, side, offset):
        return (self.address(side, offset) - offset) & M64
    def byte(self, at):
        return self.base[at] if 0 <= at < len(self.base) else 0
    def branch(self, o, before):
        if before >= 1 and self.byte(o - 1) in (0xe8, 0xe9):
            return True
        return before >= 2 and self.byte(o - 1) & 0xf0 == 0x80 and self.byte(o - 2) == 0x0f
    def predict(self, id, old, i, limit, before, t, move):
        """The field at byte i of a block: size, form, prediction, sure, slot, scale; or None."""
        o, left = old + i, limit - i
        w = int.from_bytes(self.base[o:o + 4], "little")
        here, there = (o + move[0]) & M64, (t + move[1]) & M64
        d, near = signed(w, 32), -65536 <= signed(w, 32) <= 65535
        if id == 10:
            return self.leb(o, left, before)
        if left < (8 if id == 2 else 4):
            return None
        if id == 2:
            v = int.from_bytes(self.base[o:o + 8], "little")
            return self.follow(8, "plain", v, 0) if o % 8 == 0 and v >= 256 else None
        if id in (1, 6):
            operand = id == 1 and before >= 2 and self.byte(o - 1) & 0xc7 == 5
            if self.branch(o, before) or operand:
                return self.follow(4, "plain", here + 4 + d, there + 4)
            return self.follow(4, "plain", w, 0) if id == 6 and not near and w >= 256 else None
        if id in (3, 4, 5):
            if o % 4 or (id == 3 and near) or (id == 5 and w < 256):
                return None
            return self.follow(4, "plain", *{3: (here + d, there), 4: (self.origin[0] + d, self.origin[1]), 5: (w, 0)}[id])
        return {7: self.thumb, 8: self.arm64, 9: self.riscv}[id](o, i, left, w, here, there)
    def follow(self, n, form, a, origin, bits=None, scale=0, number=0):
        a &= M64
        mapped = self.mapped(a)
        if mapped is None:
            return None
        slot = self.slot(a)
        m = mapped[0] + signed(self.corrections[slot], 32) - origin
        if bits:
            m = number >> bits << bits | m >> scale & ((1 << bits) - 1)
        return n, form, m & ((1 << 8 * n) - 1), mapped[1], slot, scale
    def thumb(self, o, i, left, w, here, there):
        if o % 2:
            return None
        if w & 0xf800 == 0xf000 and w >> 28 & 13 in (9, 13):
            v = gather("bl", w)
            return self.follow(4, "bl", here + 4 + 2 * signed(v, 24), there + 4, 24, 1, v)
        return self.follow(4, "plain", w, 0) if o % 4 == 0 and w >= 256 else None
    def arm64(self, o, i, left, w, here, there):
        word = lambda at: int.from_bytes(self.base[at:at + 4], "little")
        low = lambda x: x & 0xffc00000 == 0x91000000 or x & 0x3b000000 == 0x39000000
        scale = lambda x: x >> 30 if x >> 27 & 1 else 0
        if o % 4:
            return None
        if w & 0x7c000000 == 0x14000000:
            return self.follow(4, "b", here + 4 * signed(w, 26), there, 26, 2, w)
        if w & 0x9f000000 == 0x90000000:
            for k in range(4, 17, 4):
                x = word(o + k)
                if k + 4 <= left and low(x) and x >> 5 & 31 == w & 31:
                    v = gather("adrp", w)
                    a = (here & ~4095) + 4096 * signed(v, 21) + ((x >> 10 & 4095) << scale(x))
                    return self.follow(4, "adrp", a, there & ~4095, 21, 12, v)
        for k in range(4, 17, 4):
            x = word(o - k) if k <= i else 0
            if low(w) and x & 0x9f000000 == 0x90000000 and x & 31 == w >> 5 & 31:
                a = (here - k & ~4095) + 4096 * signed(gather("adrp", x), 21) + ((w >> 10 & 4095) << scale(w))
                v = gather("low", w)
                field = self.follow(4, "low", a, 0)
                return field and field[:2] + (v >> 12 << 12 | (field[2] & 4095) >> scale(w),) + field[3:5] + (scale(w),)
        return None
    def riscv(self, o, i, left, w, here, there):
        if o % 2:
            return None
        if w & 0xf7f == 0x6f:
            v = gather("jal", w)
            return self.follow(4, "jal", here + 2 * signed(v, 20), there, 20, 1, v)
        x = int.from_bytes(self.base[o + 4:o + 8], "little")
        if w & 0x7f != 0x17 or left < 8 or x >> 15 & 31 != w >> 7 & 31 or x & 0x7f not in (0x13, 0x03, 0x67):
            return None
        v = (w & 0xfffff000) + signed(x >> 20, 12) & 0xffffffff
        return self.follow(8, "auipc", here + signed(v, 32), there, 32, 0, v | (w & 0xfff | (x & 0xfffff) << 12) << 32)
    def leb(self, o, left, before):
        op = self.byte(o - 1)
        n = next((k for k in range(1, 6) if k <= left and self.byte(o + k - 1) < 128), 0)
        if before < 1 or op not in (0x10, 0x23, 0x24, 0x41) or not n or (n == 1 and op != 0x10):
            return None
        raw = self.base[o:o + n]
        number = sum((b & 127) << 7 * k for k, b in enumerate(raw))
        top = sum((b >> 7) << 7 * n + k for k, b in enumerate(raw))
        slot = self.slot((number | top) & 0x7ffffffff | op << (33 if op == 0x10 else 40))
        number = (number + signed(self.corrections[slot], 32)) & ((1 << 7 * n) - 1)
        return n, "leb", number | top, 0, slot, 0
    def slot(self, a):
        return ((a >> self.region_bits) * 0x9E3779B97F4A7C15 & M64) >> 54
    def mapped(self, a):
        for k, (place, address, in_file, in_memory) in enumerate(self.segments[0]):
            e = (a - address) & M64
            if e >= in_memory:
                continue
            if e < in_file:
                offset, sure = (place + e) & M64, 0
                if self.covers:
                    low, high = 0, len(self.order)
                    while low < high:
                        middle = (low + high) // 2
                        if self.covers[self.order[middle]][1] <= offset:
                            low = middle + 1
                        else:
                            high = middle
                    new, old, size = self.covers[self.order[max(low - 1, 0)]]
                    sure = int(0 <= offset - old < size)
                    offset += new - old
                return self.address(1, offset & M64), sure
            if k < len(self.segments[1]):
                other = self.segments[1][k]
                return other[1] + other[2] + e - in_file, 0
            return a, 0
        return None

def store(form, value, n):
    if form == "leb":
        return bytes((value >> 7 * k & 127) | (value >> 7 * n + k & 1) << 7 for k in range(n))
    if form == "auipc":
        rest = value >> 32
        first = (value & 0xffffffff) + 0x800 & 0xfffff000 | rest & 0xfff
        value = first | (rest >> 12 & 0xfffff | (value & 0xfff) << 20) << 32
    elif form != "plain":
        value = scatter(form, value)
    return value.to_bytes(n, "little")

# >>flash: section 4
class Flash:
    def __init__(self, base, size, page, body):
        gap = struct.unpack_from("<I", body)[0]
        pages = [-(-len(base) // page), -(-size // page)]
        sums = struct.unpack_from("<%dI" % sum(pages), body, 4)
        assert gap and list(sums[:pages[0]]) == [crc32c(base[k:k + page]) for k in range(0, len(base), page)], "pages of the base"
        s = Range(body, 4 + 4 * sum(pages), False)
        out, old_end, last = bytearray(size), 0, 0
        n = 0
        while n < size:
            run = s.number(0)
            assert run <= size - n
            old_end += run
            for _ in range(run):
                out[n] = s.tree(1024, 8)
                n += 1
            if n == size:
                break
            length, old = s.number(1) + 1, old_end + unfold(s.number(2))
            assert length <= size - n and 0 <= old <= len(base) - length, "a cover"
            old_end = old + length
            while length:
                run = s.number(3 if last == 0 else 4 if last < 8 else 5)
                last = run - 1 if run else 8
                right = run - 1 if run else length
                assert right + (run > 0) <= length, "a run"
                for k in range(right + (run > 0)):
                    o, p = old // page, n // page
                    assert o + gap > p, "a cover reads what is gone"
                    diff = s.tree(768, 8) if k == right else 0
                    out[n] = (base[old] + diff) & 255
                    n, old, length = n + 1, old + 1, length - 1
        s.end()
        self.out = bytes(out)
        assert list(sums[pages[0]:]) == [crc32c(self.out[k:k + page]) for k in range(0, size, page)], "pages of the target"

# >>vectors of the document
def vectors():
    text = open("docs/PATCH.md").read()
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
             "delta-range": (fox, jumped), "delta-repeats": (fox, greek), "flash": (count, bytes([7]) * 30 + count[:570])}
    for name, (old, new) in cases.items():
        out = apply(old, vector(name))
        assert out == new, (name, out[:80])
    print(len(cases), "vectors of docs/PATCH.md")

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
