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
    def bit(self, model):
        fast, slow, count = self.models.get(model, (32768, 32768, 0))
        s = self.RATES[min(count, 63)] if self.counting else 7
        f = min(s, 4)
        bound = (self.range >> 12) * ((fast + slow) >> 5)
        bit = self.code >= bound
        if bit:
            self.code -= bound
            self.range -= bound
            fast, slow = fast - (fast >> f), slow - (slow >> s)
        else:
            self.range = bound
            fast, slow = fast + ((65536 - fast) >> f), slow + ((65536 - slow) >> s)
        self.models[model] = fast, slow, count + 1
        self.normalise()
        return int(bit)
    def even(self):
        self.range >>= 1
        bit = self.code >= self.range
        if bit:
            self.code -= self.range
        self.normalise()
        return int(bit)
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

# >>delta: section 3
class Delta:
    def __init__(self, base, target_size, coding, body):
        self.base, self.size, self.out = base, target_size, bytearray()
        literal_bits, self.wrong_bits = body[0] & 15, body[0] >> 4
        assert literal_bits <= 8 and self.wrong_bits <= 3 and body[1] in (16, 17) and body[2] <= 32 and body[3] <= 30
        self.literal_shift, self.region_bits, self.history_log = 8 - literal_bits, body[2], body[3]
        self.map = body[1] == 17
        assert coding in (0, 1) and (coding or (body[0] == 0 and body[3] == 0 and not self.map)), "parameters"
        self.s = s = Range(body, 4) if coding else Bytes(body, 4)
        self.literals, self.repeated, self.back = bytearray(), 0, 0
        self.id = self.flags = self.run = self.wrong = self.last_diff = 0
        self.run_known, self.last_run = False, 0
        self.corrections = [0] * 1024
        self.old_end = self.new_end = 0
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
            count = s.number(0)
            assert count <= 8, "segments"
            self.segments.append([tuple(unfold(s.number(0)) & M64 for _ in range(4)) for _ in range(count)])
            self.origin.append(unfold(s.number(0)) & M64)
    def cover(self, gap=None):
        gap = self.s.number(1) if gap is None else gap
        size = self.s.number(2) + 1
        old = self.old_end + gap + unfold(self.s.number(3))
        new = self.new_end + gap
        assert 0 <= old <= len(self.base) - size and new + size <= self.size, "a cover leaves its file"
        self.old_end, self.new_end = old + size, new + size
        return new, old, size
    def put_literals(self, count):
        s, out, literals = self.s, self.out, self.literals
        while count:
            if self.history_log and s.bit(1664 + self.repeated):
                if not s.bit(1666):
                    size, self.back = s.number(10) + 1, s.number(11) + 1
                else:
                    size = s.number(10) + 1
                assert size <= count and 1 <= self.back <= min(1 << self.history_log, len(literals)), "a repeat"
                for _ in range(size):
                    literals.append(literals[-self.back])
                out += literals[-size:]
                self.repeated, count = 1, count - size
                continue
            context = (out[-1] if out else 0) >> self.literal_shift
            byte = s.tree(1668 + 256 * ((1 << self.wrong_bits) + context), 8)
            out.append(byte)
            literals.append(byte)
            self.repeated, count = 0, count - 1
    def copy(self, new, old, size):
        self.put_literals(new - len(self.out))
        done = 0
        for start in range(0, size, 1024):
            end = min(start + 1024, size)
            done = self.block(new, old, start, end, size, max(done, start))
    def block(self, new, old, start, end, size, i):
        s, base, out = self.s, self.base, self.out
        self.id = id = s.tree(1600 + 8 * self.id, 3)
        assert id <= 6 and (self.map or id == 0), "predictor"
        move = self.bias(0, old + start), self.bias(1, new + start)
        last_field, run = old + i if i > start else old + start - 2, None
        while i < end:
            n = self.field_size(id, old + i, last_field) if id else 0
            field = n and i + n <= size and self.predict(id, old + i, new + i, n, move)
            if field:
                prediction, sure, slot = field
                wrong = s.bit(1536 + (id * 2 + sure) * 4 + self.flags)
                self.flags = (self.flags << 1 | wrong) & 3
                bits = 7 * n + n if id == 6 else 8 * n
                value = prediction & ((1 << bits) - 1)
                error = 0
                if wrong:
                    error = unfold(s.number({1: 7, 2: 8}.get(id, 9)) + 1)
                    value = (prediction + error) & ((1 << bits) - 1)
                self.corrections[slot] = (self.corrections[slot] + error) & 0xffffffff
                out += leb_bytes(value, n) if id == 6 else value.to_bytes(n, "little")
                i += n
                last_field = old + i
                continue
            if run is None:
                run = s.number(4 if self.last_run == 0 else 5 if self.last_run < 8 else 6)
                self.last_run = run - 1 if run else 8
                run = run - 1 if run else -1
            if run == 0:
                context = int(self.last_run == 0)
                context |= 2 * (self.last_diff in (0, 1, 255)) | 4 * (self.last_diff >= 128)
                self.last_diff = s.tree(1668 + 256 * (context & ((1 << self.wrong_bits) - 1)), 8)
                out.append((base[old + i] + self.last_diff) & 255)
                run = None
            else:
                out.append(base[old + i])
                run -= 1
            i += 1
        assert run is None or run < 0, "a run does not end in its block"
        return i
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
    def field_size(self, id, o, last_field):
        before = o - last_field
        if id == 1:
            b = self.byte(o - 1)
            if before >= 1 and b in (0xe8, 0xe9):
                return 4
            return 4 if before >= 2 and (b & 0xc7 == 5 or (b & 0xf0 == 0x80 and self.byte(o - 2) == 0x0f)) else 0
        if id == 6:
            if before < 1 or self.byte(o - 1) not in (0x10, 0x23, 0x24, 0x41):
                return 0
            for n in range(1, 6):
                if self.byte(o + n - 1) < 128:
                    return n if n > 1 or self.byte(o - 1) == 0x10 else 0
            return 0
        return (0 if o % 8 else 8) if id == 2 else 0 if o % 4 else 4
    def predict(self, id, o, t, n, move):
        raw = bytes(self.byte(o + k) for k in range(n))
        v = int.from_bytes(raw, "little")
        if id == 6:
            number = sum((b & 127) << 7 * k for k, b in enumerate(raw))
            top = sum((b >> 7) << 7 * n + k for k, b in enumerate(raw))
            slot = self.slot(number * 4 | self.byte(o - 1) << 40)
            number = (number + signed(self.corrections[slot], 32)) & ((1 << 7 * n) - 1)
            return number | top, 0, slot
        d = signed(v, 32)
        if (id == 3 and -65536 <= d <= 65535) or (id in (2, 4) and v < 256):
            return None
        here, there = (o + move[0]) & M64, (t + move[1]) & M64
        a = {1: here + 4 + d, 2: v, 3: here + d, 4: v, 5: self.origin[0] + d}[id] & M64
        mapped = self.mapped(a)
        if mapped is None:
            return None
        m, sure = mapped
        slot = self.slot(a)
        m += signed(self.corrections[slot], 32)
        return m - {1: there + 4, 2: 0, 3: there, 4: 0, 5: self.origin[1]}[id], sure, slot
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

def leb_bytes(value, n):
    return bytes((value >> 7 * k & 127) | (value >> 7 * n + k & 1) << 7 for k in range(n))

# >>flash: section 4
class Flash:
    def __init__(self, base, size, page, body):
        word = struct.unpack_from("<I", body)[0]
        gap, down = word >> 1, word & 1
        pages = [-(-len(base) // page), -(-size // page)]
        sums = struct.unpack_from("<%dI" % sum(pages), body, 4)
        assert gap and list(sums[:pages[0]]) == [crc32c(base[k:k + page]) for k in range(0, len(base), page)], "pages of the base"
        s = Range(body, 4 + 4 * sum(pages), False)
        out, old_end, last = bytearray(size), 0, 0
        place = (lambda p, n: n - 1 - p) if down else (lambda p, n: p)
        n = 0
        while n < size:
            run = s.number(0)
            assert run <= size - n
            old_end += run
            for _ in range(run):
                out[place(n, size)] = s.tree(1024, 8)
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
                    o, p = place(old, len(base)) // page, place(n, size) // page
                    assert o < p + gap if down else o + gap > p, "a cover reads what is gone"
                    diff = s.tree(768, 8) if k == right else 0
                    out[place(n, size)] = (base[place(old, len(base))] + diff) & 255
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
