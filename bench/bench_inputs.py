#!/usr/bin/env python3
"""How long dxpatch takes to make patches of inputs that are hard on a search: processor time for each byte
of both files, beside the median of all inputs. usage: bench_inputs.py [SIZE [LEVEL]]   (bytes; 4000000, 6)"""
import os, random, resource, statistics, subprocess, sys, tempfile

SIZE = int(sys.argv[1]) if len(sys.argv) > 1 else 4000000
LEVEL = sys.argv[2] if len(sys.argv) > 2 else "6"
DXPATCH = os.environ.get("DXPATCH", "build/dxpatch")
ROUNDS = 3
chance = random.Random(1)


def shuffled(data, size):
    pieces = [data[i:i + size] for i in range(0, len(data), size)]
    chance.shuffle(pieces)
    return b"".join(pieces)


def edited(data, count):
    """As many places overwritten, and one insertion."""
    new = bytearray(data)
    for _ in range(count):
        new[chance.randrange(len(new))] ^= 1 + chance.randrange(255)
    at = chance.randrange(len(new))
    return bytes(new[:at]) + b"inserted" + bytes(new[at:])


def thue_morse(size):
    bits = b"\0"
    while len(bits) < size:
        bits += bytes(1 - b for b in bits)
    return bits[:size]


def fibonacci(size):
    a, b = b"a", b"ab"
    while len(b) < size:
        a, b = b, b + a
    return b[:size]


def seeds_with_other_tails(size):
    """The same 32 bytes again and again, each with something else behind them."""
    head = chance.randbytes(32)
    return b"".join(head + chance.randbytes(16) for _ in range(size // 48))


def inputs():
    noise = chance.randbytes(SIZE)
    words = [chance.randbytes(chance.randrange(2, 9)).hex().encode() for _ in range(3000)]
    text = b" ".join(chance.choice(words) for _ in range(SIZE // 11))[:SIZE]
    lines = b"".join(b"%08d key=%s\n" % (i, chance.choice(words)) for i in range(SIZE // 22))
    utf16 = b"".join(bytes([b, 0]) for b in text[:SIZE // 2])
    numbers = b"".join((i * 7).to_bytes(4, "little") for i in range(SIZE // 4))
    yield "noise, nothing alike", noise, chance.randbytes(SIZE)
    yield "noise, edited", noise, edited(noise, 1000)
    yield "zeros, longer", bytes(SIZE), bytes(SIZE + SIZE // 2)
    yield "zeros to noise", bytes(SIZE), noise
    yield "noise to zeros", noise, bytes(SIZE)
    yield "zeros, edited", bytes(SIZE), edited(bytes(SIZE), 20000)
    for period in 2, 7, 64, 1000, 4097:
        data = (chance.randbytes(period) * (SIZE // period + 1))[:SIZE]
        yield "period of %d, turned" % period, data, data[period // 2:] + data[:period // 2]
        yield "period of %d, edited" % period, data, edited(data, 5000)
    for size in 24, 64, 256, 4096:
        yield "noise in shuffled pieces of %d" % size, noise, shuffled(noise, size)
    for size in 64, 1024:
        yield "text in shuffled pieces of %d" % size, text, shuffled(text, size)
        yield "two-byte characters in shuffled pieces of %d" % size, utf16, shuffled(utf16, size)
    yield "lines, shuffled", lines, b"\n".join(shuffled_lines(lines))
    yield "numbers, each one more", numbers, b"".join((i * 7 + 1).to_bytes(4, "little") for i in range(SIZE // 4))
    yield "Thue-Morse, edited", thue_morse(SIZE), edited(thue_morse(SIZE), 5000)
    yield "Fibonacci, edited", fibonacci(SIZE), edited(fibonacci(SIZE), 5000)
    tails = seeds_with_other_tails(SIZE)
    yield "equal heads, other tails", tails, seeds_with_other_tails(SIZE)
    yield "equal heads, shuffled", tails, shuffled(tails, 48)
    yield "text backwards", text, text[::-1]
    yield "nothing to text", b"", text
    yield "text to nothing", text, b""


def shuffled_lines(data):
    all_lines = data.split(b"\n")
    chance.shuffle(all_lines)
    return all_lines


def seconds(old, new, patch):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([DXPATCH, "diff", old, new, patch, "--quiet", "-" + LEVEL], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


rows = []
with tempfile.TemporaryDirectory() as folder:
    old, new, patch = (os.path.join(folder, n) for n in ("old", "new", "patch"))
    for name, a, b in inputs():
        for path, data in (old, a), (new, b):
            with open(path, "wb") as f:
                f.write(data)
        took = statistics.median(seconds(old, new, patch) for _ in range(ROUNDS))
        rows.append((took * 1e9 / (len(a) + len(b)), os.path.getsize(patch), name))
middle = statistics.median(row[0] for row in rows)
print("| input | ns a byte | of the median | patch |\n|---|---|---|---|")
for took, size, name in sorted(rows, reverse=True):
    print("| %s | %.1f | %.2f | %d |" % (name, took, took / middle, size))
