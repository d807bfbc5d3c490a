"""Section 5 of docs/formats/container.md, written from that document alone: deflate streams rebuilt from a content and a correction.
usage: container_tokens.py vectors      those of tests/vectors/container_tokens.hex"""
import os, re, sys, zlib

WINDOW, REACH, FAR, BLOCK = 32768, 32506, 4096, 65535
EFFORTS = {  # good, lazy, nice, chain
    1: (4, 4, 8, 4), 2: (4, 5, 16, 8), 3: (4, 6, 32, 32), 4: (4, 4, 16, 16), 5: (8, 16, 32, 32),
    6: (8, 16, 128, 128), 7: (8, 32, 128, 256), 8: (32, 128, 258, 1024), 9: (32, 258, 258, 4096)}
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

class Range:
    """The range coder. A set of probabilities is a dictionary without the ones
    never used."""
    def __init__(self, data):
        self.data, self.at, self.range, self.code = data, 0, (1 << 32) - 1, 0
        for _ in range(5):
            self.code = (self.code << 8 | self.byte()) & 0xffffffff
    def byte(self):
        assert self.at < len(self.data), "the correction ends early"
        self.at += 1
        return self.data[self.at - 1]
    def bit(self, set_, key):
        p = set_.get(key, 16384)
        bound = (self.range >> 15) * p
        bit = self.code >= bound
        if bit:
            self.code -= bound
            self.range -= bound
            p -= p >> 5
        else:
            self.range = bound
            p += (32768 - p) >> 5
        if set_ is not EVEN:
            set_[key] = p
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = (self.code << 8 | self.byte()) & 0xffffffff
        return int(bit)
    def tree(self, set_, bits, key=()):
        node = 1
        for _ in range(bits):
            node = node << 1 | self.bit(set_, (key, node))
        return node - (1 << bits)
    def number(self, set_, key=()):
        bits = self.tree(set_, 5, key)
        value = int(bits > 0)
        for _ in range(bits - 1):
            value = value << 1 | self.bit(EVEN, 0)
        return value
EVEN = {}

class Writer:
    def __init__(self):
        self.out, self.bits, self.count = bytearray(), 0, 0
    def put(self, value, count):
        self.bits |= value << self.count
        self.count += count
        while self.count >= 8:
            self.out.append(self.bits & 255)
            self.bits >>= 8
            self.count -= 8
    def pad(self, padding):
        room = -self.count & 7
        self.put(padding & ((1 << room) - 1), room)

def crc_table():
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
        yield crc
CRC = list(crc_table())

class Chains:
    """Efforts 1 to 9."""
    def __init__(self, content, effort, bits, hashed):
        self.data, self.bits, self.hashed, self.slow = content, bits, hashed, effort >= 4
        self.good, self.lazy, self.nice, self.chain = EFFORTS[effort]
        self.heads, self.links, self.inserted, self.known = {}, {}, 0, None
    def hash(self, at):
        b, mask = self.data[at:at + (4 if self.hashed >= 2 else 3)], (1 << self.bits) - 1
        if len(b) < (4 if self.hashed >= 2 else 3):
            return None
        if self.hashed == 0:
            s = (self.bits + 2) // 3
            return (b[0] << 2 * s ^ b[1] << s ^ b[2]) & mask
        if self.hashed == 3:
            return (int.from_bytes(b, "big") * 0x1e35a7bd & 0xffffffff) >> 32 - self.bits
        crc = 0
        for byte in b if self.hashed == 2 else b + b"\0":
            crc = crc >> 8 ^ CRC[(crc ^ byte) & 255]
        return crc & mask
    def insert(self, end):
        for at in range(self.inserted, end):
            h = self.hash(at)
            if h is not None:
                self.links[at] = self.heads.get(h, 0)
                self.heads[h] = at
        self.inserted = max(self.inserted, end)
    def chained(self, at):
        """The positions of the chain before `at`, up to position 0."""
        h = self.hash(at)
        p = 0 if h is None else self.links[at] if self.inserted > at else self.heads.get(h, 0)
        while p:
            yield p
            p = self.links[p]
    def common(self, a, b):
        n, most = 0, min(258, len(self.data) - b)
        while n < most and self.data[a + n] == self.data[b + n]:
            n += 1
        return n
    def longest(self, at, before):
        go, left = self.hashed == 3, len(self.data) - at
        if before >= min(258, left):
            return None
        steps = self.chain // 4 if before >= self.good and not go else self.chain
        best, distance, reach = (3 if go else before), 0, (WINDOW if go else REACH)
        for i, p in enumerate(self.chained(at)):
            if i == steps or at - p > reach or (at - p == reach and i and not go):
                break
            n = self.common(p, at)
            if n > best and not (go and n == 4 and at - p > FAR):
                best, distance = n, at - p
                if n >= min(self.nice, left):
                    break
        if not distance or best <= before or (self.slow and best == 3 and distance > FAR):
            return None
        return best, distance
    def predict(self, at):
        now = self.known or self.longest(at, 2)
        self.known = self.next = None
        if not now:
            return None, 0
        if self.slow and now[0] < self.lazy and at + 1 < len(self.data):
            self.insert(at + 1)
            self.next = self.longest(at + 1, now[0])
            if self.next:
                return None, 1
        return now, 2
    def nearest(self, at, length):
        if length > len(self.data) - at:
            return 0
        for i, p in enumerate(self.chained(at)):
            if i == 4096 or at - p >= WINDOW:
                break
            if self.common(p, at) >= length:
                return at - p
        return 0
    def token(self, at, length):
        if length and not self.slow and length > self.lazy:
            self.insert(at + 1)
            self.inserted = at + length
        self.insert(at + max(length, 1))
        self.known = None if length else self.next
    def block(self, at, size):
        pass
    def stored(self, at, size):
        self.insert(at + size)
        self.known = None

class Table:
    """Effort 10."""
    def __init__(self, content, bits):
        self.data, self.bits, self.last, self.end, self.at = content, bits, {}, 0, 0
    def swap(self, at):
        four = self.data[at:at + 4]
        h = (int.from_bytes(four, "little") * 0x1e35a7bd & 0xffffffff) >> 32 - self.bits
        p = self.last.get(h)
        self.last[h] = at
        return at - p if p is not None and at - p <= WINDOW and self.data[p:p + 4] == four else 0
    def matches(self, at, end):
        """The matches of a block, generated one by one: each search runs on
        demand."""
        last = end - 15
        while end - at >= 17 or at > self.begin:
            distance, skip = 0, 32
            if at > self.begin: # after a match
                if at >= last:
                    return
                self.swap(at - 1)
                distance = self.swap(at)
                at += not distance
            while not distance:
                if at + skip // 32 > last:
                    return
                distance = self.swap(at)
                if not distance:
                    at, skip = at + skip // 32, skip + skip // 32
            n = 4
            while n < min(258, end - at) and self.data[at + n] == self.data[at + n - distance]:
                n += 1
            yield at, n, distance
            at += n
    def advance(self, at):
        while self.match and self.match[0] < at:
            self.match = next(self.plan, None)
    def block(self, at, size):
        if self.end:
            self.advance(min(at, self.end))
        self.begin, self.end = at, at + (min(BLOCK, len(self.data) - at) if size is None else size)
        self.plan = self.matches(at, self.end)
        self.match = next(self.plan, None)
    def predict(self, at):
        if at >= self.end:
            self.block(at, None)
        self.advance(at)
        return (self.match[1:], 2) if self.match and self.match[0] == at else (None, 0)
    def nearest(self, at, length):
        return 0
    def token(self, at, length):
        pass
    def stored(self, at, size):
        pass

def lengths_of(weights, longest):
    """The code lengths for the frequencies of symbols, by the algorithm in the document."""
    n = len(weights)
    weight, depth, parent = dict(enumerate(weights)), {}, {}
    heap = [i for i in range(n) if weights[i]]
    last = heap[-1] if heap else -1
    while len(heap) < 2:
        more = last + 1 if last < 2 else 0
        last = max(last, more)
        heap.append(more)
        weight[more] = 1
    def before(a, b):
        return (weight[a], depth.get(a, 0)) <= (weight[b], depth.get(b, 0))
    def sink(k): # heap[0] is the first one
        node = heap[k]
        while 2 * k + 1 < len(heap):
            child = 2 * k + 1
            if child + 1 < len(heap) and before(heap[child + 1], heap[child]):
                child += 1
            if before(node, heap[child]):
                break
            heap[k] = heap[child]
            k = child
        heap[k] = node
    for k in reversed(range(len(heap) // 2)):
        sink(k)
    made, taken = n, []
    while len(heap) > 1:
        a = heap[0]
        heap[0] = heap[-1]
        heap.pop()
        sink(0)
        b = heap[0]
        taken += [a, b]
        weight[made] = weight[a] + weight[b]
        depth[made] = max(depth.get(a, 0), depth.get(b, 0)) + 1
        parent[a] = parent[b] = made
        heap[0] = made
        sink(0)
        made += 1
    bits, counts, over = {heap[0]: 0}, [0] * 16, 0
    for node in reversed(taken):
        bits[node] = bits[parent[node]] + 1
        if bits[node] > longest:
            bits[node] = longest
            over += 1
        if node < n:
            counts[bits[node]] += 1
    if over:
        while over > 0:
            k = longest - 1
            while not counts[k]:
                k -= 1
            counts[k] -= 1
            counts[k + 1] += 2
            counts[longest] -= 1
            over -= 2
        leaves = iter([node for node in taken if node < n])
        for k in range(longest, 0, -1):
            for _ in range(counts[k]):
                bits[next(leaves)] = k
    return [bits.get(i, 0) for i in range(n)]

def piece(value, split):
    """Code, extra bits and their number, for the rest of a length or distance
    above its minimum."""
    top = max(value.bit_length() - 1, 0)
    if value < 2 << split:
        return value, 0, 0
    extra = top - split
    return (extra << split) + (value >> extra), value & ((1 << extra) - 1), extra

def length_piece(length):
    return (28, 0, 0) if length == 258 else piece(length - 3, 2)

def runs_of(lengths):
    """As zlib's scan_tree() finds them: (code, extra) each."""
    at, before = 0, None
    while at < len(lengths):
        length, same = lengths[at], 1
        most = 138 if not length else 6 if length == before else 7
        while at + same < len(lengths) and same < most and lengths[at + same] == length:
            same += 1
        if not length and same >= 3:
            yield (17, same - 3) if same <= 10 else (18, same - 11)
        elif length and length == before and same >= 3:
            yield 16, same - 3
        else:
            yield length, 0
            same = 1
        before = length
        at += same

def codes_of(lengths):
    code, out = 0, {}
    for bits in range(1, 16):
        for symbol, length in enumerate(lengths):
            if length == bits:
                out[symbol] = int(f"{code:0{bits}b}"[::-1], 2), bits
                code += 1
        code <<= 1
    return out

class Stream:
    def __init__(self, way, content, correction):
        _, effort, bits, hashed, strategy = way
        assert 1 <= effort <= 10 and 8 <= bits <= 17 and hashed <= 4 and not strategy and (effort == 10) == (hashed == 4)
        self.data, self.coder, self.out = content, Range(correction), Writer()
        self.finder = Table(content, bits) if effort == 10 else Chains(content, effort, bits, hashed)
        self.sets, self.at, self.type, self.history, self.counts = {}, 0, 2, 0, [0, 0]
    def set(self, name):
        return self.sets.setdefault(name, {})
    def bit(self, name, key=()):
        return self.coder.bit(self.set(name), key)
    def guess(self, name, bits, predicted, of_bit=(), of_tree=()):
        return self.coder.tree(self.set(name + " tree"), bits, of_tree) if self.bit(name, of_bit) else predicted
    def token(self):
        found, why = self.finder.predict(self.at)
        wrong = self.bit("token", (why, self.history))
        self.history = (self.history << 1 | wrong) & 63
        if wrong:
            if found and self.bit("literal", self.history):
                found = None
            else:
                length = 3 + self.coder.tree(self.set("length"), 8, why)
                assert length <= len(self.data) - self.at, "a token past the end"
                near = self.finder.nearest(self.at, length)
                distance = near if near and not self.bit("nearest", why) else self.coder.number(self.set("distance"))
                assert 1 <= distance <= WINDOW, "a distance"
                found = length, distance
        self.finder.token(self.at, found[0] if found else 0)
        self.at += found[0] if found else 1
        return found
    def tokens(self, count):
        made = []
        while self.at < len(self.data) if count is None else len(made) < count:
            assert self.at < len(self.data) and len(made) < 1 << 20, "a token past the end"
            start = self.at
            made.append((start, self.token()))
        return made
    def list(self, number, weights, least, bits, longest, order=None):
        predicted = lengths_of(weights, longest)
        order = order or range(len(weights))
        count = len(weights)
        while count > least and not predicted[order[count - 1]]:
            count -= 1
        count = least + self.guess("list", bits, count - least, number, number)
        made = [0] * max(count, len(weights))
        for i in range(count):
            at = order[i] if i < len(order) else i
            p = predicted[at] if at < len(predicted) else 0
            made[at] = self.guess("code", 3 if number == 2 else 4, p, (number, p), number)
        return made, count
    def runs(self, literals, distances):
        if not self.bit("runs"):
            return [*runs_of(literals), *runs_of(distances)]
        lengths, at, made = literals + distances, 0, []
        while at < len(lengths):
            kind = self.coder.tree(self.set("run"), 2, lengths[at] == 0)
            if kind:
                extra = self.coder.tree(self.set("extra"), (2, 3, 7)[kind - 1], kind)
                made.append((15 + kind, extra))
                at += (3, 3, 11)[kind - 1] + extra
            else:
                made.append((lengths[at], 0))
                at += 1
        assert at == len(lengths), "runs do not fit"
        return made
    def dynamic(self, tokens):
        weights = [0] * 286, [0] * 30
        weights[0][256] = 1
        for at, found in tokens:
            if found:
                weights[0][257 + length_piece(found[0])[0]] += 1
                weights[1][piece(found[1] - 1, 1)[0]] += 1
            else:
                weights[0][self.data[at]] += 1
        literals, literal_count = self.list(0, weights[0], 257, 5, 15)
        distances, distance_count = self.list(1, weights[1], 1, 5, 15)
        runs = self.runs(literals[:literal_count], distances[:distance_count])
        used = [0] * 19
        for code, _ in runs:
            used[code] += 1
        codes, code_count = self.list(2, used, 4, 4, 7, ORDER)
        self.out.put(literal_count - 257, 5)
        self.out.put(distance_count - 1, 5)
        self.out.put(code_count - 4, 4)
        for i in range(code_count):
            self.out.put(codes[ORDER[i]], 3)
        packed = codes_of(codes)
        for code, extra in runs:
            self.out.put(*packed.get(code, (0, 0)))
            if code >= 16:
                self.out.put(extra, (2, 3, 7)[code - 16])
        return codes_of(literals), codes_of(distances)
    def block(self):
        last = self.bit("last")
        kind = self.coder.tree(self.set("type"), 2, self.type)
        assert kind != 3, "a type"
        self.type, count, stored = kind, None, kind == 0
        if stored or not last:
            count = self.counts[stored]
            if self.bit("count", (stored, last)):
                count = self.coder.number(self.set("count number"), stored)
            self.counts[stored] = count
        self.finder.block(self.at, count if stored else None)
        self.out.put(last | kind << 1, 3) # the header; the token counts that it needs follow
        if stored:
            self.out.pad(self.guess("padding", 7, 0))
            assert count <= 65535 and count <= len(self.data) - self.at, "stored bytes"
            self.out.put(count | (count ^ 65535) << 16, 32)
            self.out.out += self.data[self.at:self.at + count]
            self.finder.stored(self.at, count)
            self.at += count
            return last
        tokens = self.tokens(count)
        if kind == 2:
            literals, distances = self.dynamic(tokens)
        else:
            literals, distances = codes_of([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), codes_of([5] * 32)
        for at, found in tokens:
            if not found:
                self.out.put(*literals.get(self.data[at], (0, 0)))
                continue
            code, extra, bits = length_piece(found[0])
            self.out.put(*literals.get(257 + code, (0, 0)))
            self.out.put(extra, bits)
            code, extra, bits = piece(found[1] - 1, 1)
            self.out.put(*distances.get(code, (0, 0)))
            self.out.put(extra, bits)
        self.out.put(*literals.get(256, (0, 0)))
        return last
    def run(self):
        while not self.block():
            pass
        self.out.pad(self.guess("padding", 7, 0))
        assert self.at == len(self.data) and self.coder.at == len(self.coder.data), "the correction ends late"
        return bytes(self.out.out)

def pack(way, content, correction):
    """way: kind 5, effort, bits of the hash, hashed bytes, 0."""
    return Stream(way, content, correction).run()

def vectors():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors/container_tokens.hex")
    text = open(path, encoding="ascii").read()
    made = {name: bytes.fromhex(body) for name, body in re.findall(r"```hex (\S+)\n([^`]*)```", text)}
    names = [name[:-7] for name in made if name.endswith("-stream")]
    for name in names:
        stream = made[name + "-stream"]
        content = zlib.decompressobj(-15).decompress(stream)
        assert pack(made[name + "-way"], content, made[name + "-correction"]) == stream, name
    assert len(names) >= 8
    print(f"container_tokens: {len(names)} streams")

if __name__ == "__main__":
    if sys.argv[1:] != ["vectors"]:
        sys.exit(__doc__)
    vectors()
