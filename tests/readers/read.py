"""Reads the lines of samples.c, from their description alone, and compares with the dump in them."""
import json
import math
import struct
import sys

FORMATS = {1: "B", 2: "H", 3: "I", 4: "Q", 5: "b", 6: "h", 7: "i", 8: "q", 9: "f", 10: "d", 11: "B"}


class Bad(Exception):
    pass


def scalar(code, data, at):
    form = "<" + FORMATS[code]
    if at + struct.calcsize(form) > len(data):
        raise Bad("reference")
    value = struct.unpack_from(form, data, at)[0]
    if code != 11:
        return value
    if value > 1:
        raise Bad("bool")
    return value == 1


def read(type_, data, at, version):
    return {f["name"]: field(f, data, at + f["offset"]) for f in type_["fields"] if f["since"] <= version}


def field(f, data, at):
    kind, code, type_ = f["code"] >> 4, f["code"] & 15, f.get("type")
    size = type_["size"] if type_ else struct.calcsize("<" + FORMATS.get(code, "B"))
    if kind in (2, 4, 6):
        at, count = struct.unpack_from("<II", data, at)
        if count * size > len(data) - at:
            raise Bad("reference")
        if kind == 2:
            return data[at:at + count].decode("utf-8")
    if kind == 3:
        count = f["count"]
    if kind in (3, 4):
        return [scalar(code, data, at + i * size) for i in range(count)]
    if kind == 6:
        return [read(type_, data, at + i * size, len(type_["layouts"])) for i in range(count)]
    if kind == 5:
        return read(type_, data, at, len(type_["layouts"]))
    if kind == 7:
        return scalar(code, data, at + size) if scalar(11, data, at) else None
    return scalar(code, data, at)


def open_record(type_, data, bare):
    if bare:
        return read(type_, data, 0, bare)
    if len(data) < 24 or data[:4] != b"DXT1" or struct.unpack_from("<I", data, 4)[0] != len(data):
        raise Bad("header")
    version = struct.unpack_from("<H", data, 20)[0]
    for i, layout in enumerate(type_["layouts"][:version], 1):
        if scalar(4, data, 8 if i == version else 16 + 8 * i) != int(layout, 16):
            raise Bad("layout")
    return read(type_, data, 16 + 8 * version, version)


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


passed = failed = 0
for line in sys.stdin:
    sample = json.loads(line)
    data = bytes.fromhex(sample["hex"])
    good = same(sample["type"]["fields"], sample["value"], open_record(sample["type"], data, sample["bare"]))
    for n in range(0 if not sample["bare"] else len(data), len(data)):
        try:
            open_record(sample["type"], data[:n], 0)
            good = False
        except Bad:
            pass
    passed, failed = passed + good, failed + (not good)
    if not good:
        print("FAIL", line[:3000])
print(f"python: {passed} passed, {failed} failed, 0 skipped")
sys.exit(0 if passed and not failed else 1)
