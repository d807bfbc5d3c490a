"""Reads the lines of samples.c with examples/clients/dx_teleport.py, from their description alone: compares the values with the dump
in them, or its refusal with the error there."""
import json
import math
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/clients"))
from dx_teleport import FORMATS, Bad, open_record


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
