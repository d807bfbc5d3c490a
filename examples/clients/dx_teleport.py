"""Records of dx_teleport.h in Python, from the description of their type that dx_dump_schema() or dxdb gives
(docs/formats/teleport.md, section 8). No packages.

    values = open_record(type, data)         # a dict of the fields, records in it as dicts, unset options None
    values = open_record(type, data, 1)      # bare: no header, version 1

Everything is checked before anything is returned. Bad: the record is refused, with the name of the error that
dx_teleport.h gives."""
import struct

FORMATS = {1: "B", 2: "H", 3: "I", 4: "Q", 5: "b", 6: "h", 7: "i", 8: "q", 9: "f", 10: "d", 11: "B"}
ENUM, STRING, ARRAY, LIST, RECORD, RECORDS, OPTION = 1, 2, 3, 4, 5, 6, 7


class Bad(ValueError):
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


def open_record(type_, data, bare=0):
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
