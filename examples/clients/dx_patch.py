"""Deltas of docs/formats/patch.md for Python: sections 1 and 3, codings plain and range. No packages.

    target = apply(base, patch)              # PatchError: there is no target

It is meant for the patches of records that dxdb sends. The sizes and the checksums of the patch are checked, the hashes of
both files are not: Python has no BLAKE3. HBTP's versions say which record a change is for. Not here: blocks, flash, deltas
of streams (section 6), and mixing (3.5)."""
import bisect, struct

M64 = (1 << 64) - 1


class PatchError(ValueError):
    """The patch is damaged, for another base, or of a kind that is not known here."""


def need(holds, text):
    if not holds:
        raise PatchError(text)

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
        need(self.at < len(self.data), "the stream ends early")
        self.at += 1
        return self.data[self.at - 1]
    def take(self, size):
        need(size <= len(self.data) - self.at, "the stream ends early")
        self.at += size
        return self.data[self.at - size:self.at]
    def varint(self):
        v = shift = 0
        while True:
            b = self.byte()
            v |= (b & 127) << shift
            shift += 7
            need(v <= M64 and shift <= 70, "varint")
            if b < 128:
                return v
    def number(self, _):
        return self.varint()
    def coded_byte(self, _):
        return self.byte()
    def end(self):
        need(self.at == len(self.data), "the stream goes on")

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
            need(length <= 63, "a number")
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
    need(len(patch) >= 128 and patch[:4] == b"DXP1", "magic")
    need(struct.unpack_from("<I", patch, 124)[0] == crc32c(patch[:124]), "checksum of the header")
    version, kind, hash_kind, coding = patch[4:8]
    base, target, body, block, flags, memory = struct.unpack_from("<QQQIIQ", patch, 8)
    crc, trailer, reserved = struct.unpack_from("<III", patch, 112)
    need(version == (1 if kind == 1 else 4 if coding == 4 else 3) and hash_kind == 1 and reserved == 0 and flags <= 1, "version")
    need(len(patch) == 128 + body + trailer, "size")
    need(crc == crc32c(patch[128:128 + body]), "checksum of the body")
    need(memory >= {1: 1024, 2: 17044, 4: 5696}[kind], "memory size")
    return kind, coding, base, target, block, flags, memory, patch[128:128 + body]

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
    mixer_of = None # section 3.5
    def __init__(self, base, target_size, coding, memory, body):
        self.base, self.size, self.out = base, target_size, bytearray()
        literal_bits, self.wrong_bits, self.rich = body[0] & 15, body[0] >> 4 & 3, body[0] >> 6
        need(literal_bits <= 8 and self.rich <= 1 and body[1] in (34, 35) and body[2] <= 32, "parameters")
        need(body[4] == 0 if body[3] == 0 else 8 <= body[3] <= 28 and 5 <= body[4] <= 28, "parameters")
        self.literal_shift, self.region_bits, self.map = 8 - literal_bits, body[2], body[1] == 35
        need(coding == 1 or (coding == 0 and body[:5] == bytes([0, 34, 0, 0, 0])), "parameters")
        self.spare = memory - 2164 - 32 * (431 + (17 << literal_bits) + (17 << self.wrong_bits)) - 4096 * self.map
        self.spare -= 6784 + (2 << body[3]) + (32 << body[4]) if body[3] else 0
        need(self.spare >= 0, "memory size")
        self.s = s = Range(body, 5) if coding else Bytes(body, 5)
        need(self.mixer_of or not body[3], "mixing is not known here")
        self.mixer = self.mixer_of(s, body[3], body[4]) if body[3] else None
        self.plain, self.raw, self.same = coding == 0, 0, 0
        self.id = self.flags = self.last_run = self.last_diff = 0
        self.corrections = [0] * 1025
        self.old_end = self.new_end = self.hint_at = 0
        if self.map:
            self.count = s.number(0)
            need(20 * self.count <= self.spare, "memory size")
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
                need(side[0] <= 8, "segments")
                at += 1
            self.origin.append(side[1])
            self.segments.append([tuple(side[k:k + 4]) for k in range(2, at, 4)])
            last = side
    def match(self, gap=None):
        gap = self.s.number(1) if gap is None else gap
        size = self.s.number(2) + 1
        old = self.old_end + gap + unzigzag(self.s.number(3))
        new = self.new_end + gap
        need(0 <= old <= len(self.base) - size and new + size <= self.size, "a match leaves its file")
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
            need(equal <= -(-(size - done) // 1024), "more equal blocks than there are")
            end, which = min(done + equal * 1024, size), 5
            self.out += self.base[old + done:old + end]
            done = self.block(new, old, end, min(end + 1024, size), size) if end < size else end
    def block(self, new, old, start, end, size):
        first = len(self.out)
        self.id = id = self.predictor()
        need(id <= 12 and (self.map or id == 0), "predictor")
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
            need(stop < end - start or not run, "a run does not end in its block")
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
        need(wrong < 2, "a flag")
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

def leb_bytes(value, n):
    return bytes((value >> 7 * k & 127) | (value >> 7 * n + k & 1) << 7 for k in range(n))


def apply(base, patch, most=1 << 26):
    try:
        kind, coding, base_size, target_size, _, _, memory, body = parse(patch)
        need(len(base) == base_size, "another base")
        need(kind == 2 and coding < 2, "only plain and range deltas are known here")
        need(target_size <= most, "the target is too large")
        return bytes(Delta(base, target_size, coding, memory, body).out)
    except (IndexError, KeyError, struct.error) as error:
        raise PatchError("the patch is damaged") from error
