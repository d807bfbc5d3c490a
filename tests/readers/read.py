"""Reads the lines of samples.c, from their description alone: compares the values with the dump
in them, or its refusal with the error there."""
import json
import math
import struct
import sys

FORMATS = {1: "B", 2: "H", 3: "I", 4: "Q", 5: "b", 6: "h", 7: "i", 8: "q", 9: "f", 10: "d", 11: "B"}
ENUM, STRING, ARRAY, LIST, RECORD, RECORDS, OPTION = 1, 2, 3, 4, 5, 6, 7


class Bad(Exception):
    pass


def need(condition, error):
    if not condition:
        raise Bad(error)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def up(n, unit):
    return -(-n // unit) * unit


def load(code, data, at):
    return struct.unpack_from("<" + FORMATS[code], data, at)[0]


class Record:
    """Checks and reads at once, as in sections 3 to 5 of docs/formats/teleport.md. size: where
    references end; end: where the last one read ends; exact: the data is not newer than the
    description."""

    def __init__(self, data, size, end, exact):
        self.data, self.size, self.end, self.exact = data, size, end, exact

    def zeros(self, first, last):
        need(not any(self.data[first:last]), "EPADDING")

    def scalar(self, code, at):
        value = load(code, self.data, at)
        if code != 11:
            return value
        need(value < 2, "EBOOL")
        return value == 1

    def reference(self, at, size, align):
        offset, count = struct.unpack_from("<II", self.data, at)
        if count == 0:
            need(offset == 0, "EREF")
            return 0, 0
        first = up(self.end, align)
        need(offset == first if self.exact else offset >= first and offset % align == 0, "EREF")
        need(offset + count * size <= self.size, "EREF")
        if self.exact:
            self.zeros(self.end, offset)
        self.end = offset + count * size
        return offset, count

    def field(self, f, at):
        kind, code, inner = f["code"] >> 4, f["code"] & 15, f.get("type")
        size, align = (inner["size"], inner["align"]) if inner else (unit(f),) * 2
        count = f["count"] if kind == ARRAY else 1
        if kind in (STRING, LIST, RECORDS):
            at, count = self.reference(at, size, align)
        if kind == STRING:
            try:
                return self.data[at:at + count].decode("utf-8")
            except UnicodeDecodeError:
                raise Bad("EUTF8")
        if kind in (ARRAY, LIST):
            return [self.scalar(code, at + i * size) for i in range(count)]
        if kind == RECORDS:
            return [self.read(inner, at + i * size, len(inner["layouts"])) for i in range(count)]
        if kind == RECORD:
            return self.read(inner, at, len(inner["layouts"]))
        if kind == OPTION:
            there = self.scalar(11, at)
            self.zeros(at + 1, at + (size if there else 2 * size))
            return self.scalar(code, at + size) if there else None
        value = self.scalar(code, at)
        need(kind != ENUM or value < f["range"], "EENUM")
        return value

    def read(self, type_, at, version):
        values, end = {}, 0
        for f in type_["fields"]:
            if f["since"] > version:
                break
            self.zeros(at + end, at + f["offset"])
            values[f["name"]] = self.field(f, at + f["offset"])
            end = f["offset"] + width(f)
        if version <= len(type_["layouts"]):
            self.zeros(at + end, at + extent(type_, version))
        return values


def unit(f):
    return struct.calcsize("<" + FORMATS.get(f["code"] & 15, "B"))


def width(f):
    kind = f["code"] >> 4
    if kind in (STRING, LIST, RECORDS):
        return 8
    if kind == RECORD:
        return f["type"]["size"]
    return unit(f) * {ARRAY: f["count"], OPTION: 2}.get(kind, 1)


def extent(type_, version):
    """Bytes of the record in that version."""
    fields = [f for f in type_["fields"] if f["since"] <= version]
    aligns = [4 if f["code"] >> 4 in (STRING, LIST, RECORDS) else f["type"]["align"] if "type" in f else unit(f) for f in fields]
    return up(fields[-1]["offset"] + width(fields[-1]), max(aligns))


def open_record(type_, data, bare):
    known = len(type_["layouts"])
    if bare:
        need(len(data) >= extent(type_, bare), "ETRUNCATED")
        return whole(Record(data, len(data), extent(type_, bare), bare <= known), type_, 0, bare)
    need(len(data) >= 24, "ETRUNCATED")
    need(data[:3] == b"DXT", "ECORRUPT")
    need(data[3:4] == b"1", "EVERSION")
    size, fixed, version, flags = (load(code, data, at) for code, at in ((3, 4), (3, 16), (2, 20), (2, 22)))
    need(version, "ECORRUPT")
    need(flags < 2, "ENOTSUP")
    root, tail = 16 + 8 * version, 4 * flags
    need(size >= root + fixed + tail, "ECORRUPT")
    need(size <= len(data), "ETRUNCATED")
    need(size == len(data), "ETRAILING")
    need(not flags or crc32c(data[:size - 4]) == load(3, data, size - 4), "ECHECKSUM")
    for i, layout in enumerate(type_["layouts"][:version], 1):
        need(load(4, data, 8 if i == version else 16 + 8 * i) == int(layout, 16), "ELAYOUT")
    least = extent(type_, version)
    need(fixed == least if version <= known else fixed >= least, "ECORRUPT")
    return whole(Record(data, size - tail, root + fixed, version <= known), type_, root, version)


def whole(record, type_, root, version):
    values = record.read(type_, root, version)
    need(not record.exact or record.end == record.size, "ETRAILING")
    return values


def same(fields, dumped, value):
    if dumped.keys() != value.keys():
        return False
    for f in fields:
        if f["name"] not in value:
            continue
        a, b, code = dumped[f["name"]], value[f["name"]], f["code"]
        if code >> 4 == 5:
            a, b = [a], [b]
        if code >> 4 in (5, 6):
            if len(a) != len(b) or not all(same(f["type"]["fields"], x, y) for x, y in zip(a, b)):
                return False
        elif code & 15 in (9, 10) and code >> 4 != 2 and b is not None:
            if not isinstance(b, list):
                a, b = [a], [b]
            if len(a) != len(b) or not all(same_number(code & 15, x, y) for x, y in zip(a, b)):
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


def same_number(code, dumped, value):
    if math.isnan(value):
        return dumped == "NaN"
    if math.isinf(value):
        return dumped == ("Infinity" if value > 0 else "-Infinity")
    form = "<" + FORMATS[code]
    if struct.pack(form, float(dumped)) == struct.pack(form, value):
        return True
    return dumped == 0 and value == 0 and isinstance(dumped, int)  # json reads -0 as an integer


def judge(sample, data):
    """The reader's result: an error, or None if the values equal the dump's."""
    try:
        values = open_record(sample["type"], data, sample["bare"])
    except Bad as error:
        return str(error)
    if "value" in sample and not same(sample["type"]["fields"], sample["value"], values):
        return "other values"
    return None


def main():
    types = {}  # defined by a line, referred to by later ones
    passed = failed = 0
    for line in sys.stdin:
        sample = json.loads(line)
        if "define" in sample:
            types[sample["define"]] = sample["type"]
            continue
        if isinstance(sample["type"], str):
            sample["type"] = types[sample["type"]]
        data = bytes.fromhex(sample["hex"])
        said = judge(sample, data)
        good = said == sample.get("error")
        for n in range(len(data) if sample.get("cut") and not sample["bare"] else 0):
            good = good and judge(sample, data[:n]) == "ETRUNCATED"
        passed, failed = passed + good, failed + (not good)
        if not good:
            print("FAIL", said, "not", sample.get("error"), line[:3000])
    print(f"python: {passed} passed, {failed} failed, 0 skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
