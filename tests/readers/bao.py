#!/usr/bin/env python3
"""A second implementation of BLAKE3 and of Bao's encodings, written from their specifications, for tests/layers/test_bao.c.

usage: bao.py SIZE GROUP START LENGTH    prints the root, then in hex the outboard tree and the slice
       bao.py -                          the same for each line "SIZE GROUP START LENGTH" of standard input
The content is that of Bao's published vectors: 32-bit little-endian numbers that count from 1."""
import struct
import sys

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def compress(cv, block, counter, size, flags):
    v = list(cv) + list(IV[:4]) + [counter & MASK, counter >> 32, size, flags]
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))

    def g(a, b, c, d, x, y):
        for rot_d, rot_b, word in ((16, 12, x), (8, 7, y)):
            v[a] = (v[a] + v[b] + word) & MASK
            t = v[d] ^ v[a]
            v[d] = (t >> rot_d | t << (32 - rot_d)) & MASK
            v[c] = (v[c] + v[d]) & MASK
            t = v[b] ^ v[c]
            v[b] = (t >> rot_b | t << (32 - rot_b)) & MASK

    for r in range(7):
        for i in range(4):
            g(i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1])
        for i in range(4):
            g(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i])
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def chunk_value(data, index, root):
    cv = IV
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        flags = (START if i == 0 else 0) | ((END | root) if i == len(blocks) - 1 else 0)
        cv = compress(cv, block, index, len(block), flags)
    return struct.pack("<8I", *cv)


def parent_value(left, right, root):
    return struct.pack("<8I", *compress(IV, left + right, 0, 64, PARENT | root))


def left_size(size):
    """Bytes of the left subtree: the largest power of two of chunks that leaves at least a
    byte to the right."""
    left = 1024
    while left * 2 < size:
        left *= 2
    return left


def value(data, index=0, root=0):
    if len(data) <= 1024:
        return chunk_value(data, index, root)
    cut = left_size(len(data))
    return parent_value(value(data[:cut], index), value(data[cut:], index + cut // 1024), root)


def walk(data, index, group, wanted, out, with_data):
    """Pre-order: the pair of a node, then its left and its right subtree."""
    begin, end = wanted
    at = index * 1024
    if len(data) <= 1024 << group:
        if with_data:
            out.append(data)
        return
    cut = left_size(len(data))
    out.append(value(data[:cut], index) + value(data[cut:], index + cut // 1024))
    if at < end and at + cut > begin:
        walk(data[:cut], index, group, wanted, out, with_data)
    if at + cut < end and at + len(data) > begin:
        walk(data[cut:], index + cut // 1024, group, wanted, out, with_data)


def encodings(size, group, start, length):
    data = b"".join(struct.pack("<I", i) for i in range(1, size // 4 + 2))[:size]
    outboard, slices = [struct.pack("<Q", size)], [struct.pack("<Q", size)]
    walk(data, 0, group, (0, max(size, 1)), outboard, False)
    begin = min(start, max(size - 1, 0))
    walk(data, 0, group, (begin, max(start + length, begin + 1)), slices, True)
    return value(data, 0, ROOT).hex(), b"".join(outboard).hex(), b"".join(slices).hex()


if __name__ == "__main__":
    lines = [sys.argv[1:]] if sys.argv[1:] != ["-"] else [line.split() for line in sys.stdin]
    for words in lines:
        print(*encodings(*map(int, words)))
