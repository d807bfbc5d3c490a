#!/usr/bin/env python3
"""Pairs of files that are drawn: does the other reader give the target of each delta of streams?

usage: patch_drawn.py MAKER DIR COUNT SEED [keep] MAKER is tests/readers/patch_streams.c, built; DIR is for files
       keep: deltas of level 1 and 2 in the usual codings, as DIR/N.old, N.new, N.patch, for patch.mjs
"""
import os, random, struct, subprocess, sys

def text(r, size):
    words = ["".join(r.choice("abcdefgh") for _ in range(r.randint(1, 9))) for _ in range(40)]
    return " ".join(r.choice(words) for _ in range(size // 5))[:size].encode()

def calls(r, size):
    out = bytearray(r.randbytes(size))
    for at in range(0, size - 5, r.randint(7, 40)):
        out[at] = 0xe8
        struct.pack_into("<i", out, at + 1, r.randrange(size) - at - 5)
    return bytes(out)

def pointers(r, size):
    return b"".join(struct.pack("<Q", 0x400000 + r.randrange(size) * 4) for _ in range(size // 8))

def records(r, size):
    return b"".join(struct.pack("<IHHff", k, r.randrange(9), 7, r.random(), k / 3) for k in range(size // 16))

def moved(r, old):
    """Pieces of the old file, of the output so far, and new ones; words in them are relative to another
    origin."""
    out, at = bytearray(), 0
    while at < len(old) and len(out) < 60000:
        size, what = r.randint(1, 4000), r.random()
        piece = bytearray(old[at:at + size])
        at += size
        if what < 0.15:
            at = r.randrange(len(old))
        elif what < 0.25:
            piece += r.randbytes(r.randint(1, 90))
        elif what < 0.35 and out:
            start = r.randrange(len(out))
            piece += out[start:start + r.randint(1, 300)]
        elif what < 0.7:
            for k in range(0, len(piece), r.randint(1, 99)):
                piece[k] = (piece[k] + r.choice((1, 4, 8, 16, r.randrange(256)))) & 255
        elif what < 0.8:
            piece = piece[:len(piece) // 2]
        out += piece
    return bytes(out)

def keep(maker, folder, count, seed):
    r = random.Random(seed)
    for number in range(count):
        base = r.choice((text, calls, pointers, records))(r, r.choice((100, 3000, 60000)))
        names = [os.path.join(folder, "%d.%s" % (number, end)) for end in ("old", "new", "patch")]
        for name, data in zip(names, (base, moved(r, base))):
            with open(name, "wb") as f:
                f.write(data)
        subprocess.run([maker, *names, str(r.randint(1, 2)), "usual"], check=True)

def main():
    maker, folder, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    r = random.Random(seed)
    old, new, patch = (os.path.join(folder, "drawn." + end) for end in ("old", "new", "patch"))
    reader = os.path.join(os.path.dirname(__file__), "patch.py")
    streams = 0
    for number in range(count):
        base = r.choice((text, calls, pointers, records))(r, r.choice((100, 3000, 60000)))
        target = moved(r, base)
        open(old, "wb").write(base)
        open(new, "wb").write(target)
        subprocess.run([maker, old, new, patch, str(r.randint(1, 9))], check=True)
        streams += open(patch, "rb").read(8)[7] == 4
        result = subprocess.run([sys.executable, reader, "apply", old, patch, new], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert result.returncode == 0, "pair %d of seed %d: %s" % (number, seed, result.stderr.decode().strip().split("\n")[-1])
    assert streams * 2 > count, "only %d of %d are deltas of streams" % (streams, count)
    print(count, "pairs,", streams, "deltas of streams")

if len(sys.argv) == 6 and sys.argv[5] == "keep":
    keep(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
elif len(sys.argv) != 5:
    sys.exit(__doc__)
else:
    main()
