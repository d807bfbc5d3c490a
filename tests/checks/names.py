#!/usr/bin/env python3
"""names.py times|marks|arrows HEADER...: one line for each misleading name or mark.

times   In public declarations a name in _ns is either an instant of a clock or a length, and always the same: deadline_ns,
        now_ns and so on are instants, timeout_ns, period_ns and so on lengths. A deadline_ns documents its clock.
marks   Each >>section occurs once in a header, and each >>mark that a comment names is one of its sections.
arrows  A private function calls none from a section further down: a header is read from the top, and each section uses
        only those before it. UPWARD lists the few places where two sections need each other."""
import collections
import re
import sys

INSTANTS = "now deadline time begun mtime clock" # clock_ns: a function that returns the time
LENGTHS = ("timeout period interval delay round_trip latency budget burst debounce frame hold idle keepalive leave linger poll "
           "connect hello spin used remaining yield")
KIND = {name: "an instant" for name in INSTANTS.split()} | {name: "a length" for name in LENGTHS.split()}
ENDS = re.compile(r"(?:.*_)?(timeout|deadline|delay)$")
UPWARD = {  # header: (section, the later one that it calls)
    "dx_cas.h": {("index", "recovery")},
    "dx_patch.h": {("maker", "sectionmaker")},
    "dx_cache.h": {("tags", "entries")},
    "dx_nor.h": {("room", "collect")},
    "dx_peers.h": {("blocks", "output"), ("ends", "output")},
}


def public_part(header, text):
    name = re.sub(r".*/|\.h$", "", header).upper()
    found = re.search(r"^#if.*\b%s_IMPLEMENTATION\b" % name, text, re.M)
    return text[:found.start()] if found else text


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def times(header, text):
    part = public_part(header, text)
    code = without_comments(part)
    for found in re.finditer(r"\b(?:u?int\d+_t|size_t)\s+(?:\(\*)?(\w+)_ns\b(?!\()", code):
        end = ENDS.match(found[1])
        if found[1] not in KIND and not end:
            yield "%s:%d: %s_ns: an instant (deadline_ns, now_ns) or a length (timeout_ns)?" % (header, line_of(code, found.start()), found[1])
    comment, behind = "", 0
    for found in re.finditer(r"/\*(.*?)\*/|^DX_\w+_API\b[^;{]*[;{]", part, re.M | re.S):
        if found[1] is not None:
            if part[behind:found.start()].strip() or part[found.start() - 1] == "\n":
                comment = found[1]
        elif re.search(r"\bdeadline_ns\b", found[0]) and "clock" not in comment:
            yield "%s:%d: deadline_ns of which clock? The comment does not say" % (header, line_of(part, found.start()))
        behind = found.end()


def marks(header, text):
    sections = re.findall(r"^/\* >>([\w-]+)", text, re.M)
    for name, count in collections.Counter(sections).items():
        if count > 1:
            yield "%s: %d sections >>%s" % (header, count, name)
    named = set(re.findall(r"(?:^|[\s(])>>([a-z][\w-]*)", text, re.M))
    for name in sorted(named - set(sections)):
        yield "%s: >>%s is no section" % (header, name)


def arrows(header, text):
    name = re.sub(r".*/|\.h$", "", header)
    marked = re.sub(r"^/\* >>([\w-]+)", r">>\1 /*", text, flags=re.M)
    code = re.sub(r"^[ \t]*#(?:.*\\\n)*.*", lambda m: "\n" * m.group().count("\n"), without_comments(marked), flags=re.M)
    section, order, bodies, calls = "", [], {}, []
    for number, line in enumerate(code.split("\n"), 1):
        mark = re.match(r">>([\w-]+)", line)
        if mark:
            section = mark[1]
            order.append(section)
        for call in re.finditer(r"\b(%s_p_\w+)\(" % name, line):
            calls.append((number, section, call[1]))
        whole = re.match(r"static\b[^;{]*\b(%s_p_\w+)\([^;{]*\)\s*\{" % name, line)
        if whole:
            bodies.setdefault(whole[1], section)
        if line.startswith("{"):                             # the head of a function follows the last ; or }
            head = code.split("\n")[max(0, number - 8):number - 1]
            head = re.split(r"[;}]", "\n".join(head))[-1]
            function = re.search(r"\b(%s_p_\w+)\(" % name, head)
            if function:
                bodies.setdefault(function[1], section)
    first = line_of(text, len(public_part(header, text)))    # inline functions of the declarations may call the rest
    for number, section, called in calls:
        if number < first:
            continue
        there = bodies.get(called, section)
        if section in order and order.index(there) > order.index(section):
            if (section, there) not in UPWARD.get(name + ".h", set()) and not declares(code, number):
                yield "%s:%d: >>%s calls %s(), which is further down, in >>%s" % (header, number, section, called, there)


def declares(code, number):
    """Is this line a prototype? Those are at the margin."""
    line = code.split("\n")[number - 1]
    return bool(re.match(r"static\b|DX_\w+_API\b", line)) and "{" not in line


def main():
    check = {"times": times, "marks": marks, "arrows": arrows}[sys.argv[1]]
    for header in sys.argv[2:]:
        with open(header, encoding="utf-8") as file:
            for line in check(header, file.read()):
                print(line)


main()
