#!/usr/bin/env python3
"""A second reader of docs/formats/patch.md, written from that document alone. The codings that dxdb sends are in
examples/clients/dx_patch.py, the others here.
usage: patch.py vectors | apply OLD PATCH NEW      vectors: those of the document; apply: the patch gives NEW from OLD"""
import os, re, struct, sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/clients"))
from dx_patch import M64, Bytes, Delta, Range, Row, crc32c, leb_bytes, parse, signed, unzigzag

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

Delta.mixer_of = Mixer

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
