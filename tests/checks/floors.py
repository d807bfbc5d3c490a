#!/usr/bin/env python3
"""Draws who stands on whom, and refuses what runs up, in circles, or into another file's private names.

    usage: floors.py TOP            prints one finding a line, nothing when all is well
           floors.py TOP --draw     prints the floors instead: each layer and program with what it stands on

    programs/NAME   examples/NAME    a program may use programs/sync, versions, containers and common, of which each may use
                                     those behind it; an example the files beside the examples' folders
         |               |
         v               v
       layers/dx_*.h  ------> another layer, never in a circle
         |
         v
       dx_*.h (cores)                include nothing of the project, and name no floor above

What is looked at: `#include "..."` lines, words in comments (a core that names a layer), calls between the files and rooms
(folders) of a program, names with _p_ and struct fields that end in an underscore. Tests and benches may look inside what they
test and measure, so their names are not looked at.
"""
import os
import re
import sys

CODE = (".c", ".h", ".cc")
# Shared by the programs, from bottom to top.
SHARED = ["programs/common", "programs/containers", "programs/versions", "programs/sync"]
FLOORS = re.compile(r"(?<![\w./-])(layers|programs|examples)/")


def sources(top):
    for name in sorted(os.listdir(top)):
        if name.startswith("dx_") and name.endswith(".h"):
            yield name
    for folder in ("layers", "programs", "examples", "bench"):
        for path, folders, names in os.walk(os.path.join(top, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(CODE):
                    yield os.path.relpath(os.path.join(path, name), top)


def without(text, strings):
    """The code without comments, and optionally without string literals; line breaks stay."""
    def blank(match):
        if match.group(0)[0] == "/":
            return re.sub(r"[^\n]", " ", match.group(0))
        return '""' if strings else match.group(0)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def floor(path):
    """The floor of a file, and the product that it belongs to."""
    parts = path.split("/")
    if len(parts) == 1:
        return "core", path
    if parts[0] in ("layers", "bench"):
        return parts[0], path
    return parts[0], "/".join(parts[:2])


def allowed(path, target):
    """May path include target?"""
    here, product = floor(path)
    there, other = floor(target)
    if product == other:
        return True
    if here == "core":
        return False
    if here == "layers":
        return there in ("core", "layers")
    if here in ("programs", "examples"):
        if here == "examples":
            shared = bool(re.fullmatch(r"examples/\w+\.[ch]", target))
        elif product in SHARED:
            shared = other in SHARED[:SHARED.index(product)]
        else:
            shared = other in SHARED
        return there in ("core", "layers") or shared
    return True  # a bench measures anything


def includes(path, text, known):
    for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', text, flags=re.M):
        for base in (os.path.dirname(path), ""):
            target = os.path.normpath(os.path.join(base, name))
            if target in known:
                yield target
                break


def circles(edges):
    """The strongly connected components with more than one member (Tarjan's algorithm, without
    recursion)."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def enter(node, work):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        work.append((node, iter(sorted(edges.get(node, ())))))

    for root in sorted(edges):
        work = []
        if root not in index:
            enter(root, work)
        while work:
            node, children = work[-1]
            child = next(children, None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    part = stack[at:]
                    del stack[at:]
                    on.difference_update(part)
                    if len(part) > 1:
                        found.append(sorted(part))
            elif child not in index:
                enter(child, work)
            elif child in on:
                low[node] = min(low[node], index[child])
    return found


def definitions(text):
    """Names of the functions that a C file defines for other files."""
    found = re.finditer(r"^(?!static\b|typedef\b|#|else\b|return\b)[A-Za-z_][\w \t*]*?\b(\w+)\([^;{}]*\)\s*\{", text, flags=re.M)
    return {match.group(1) for match in found}


def room(path):
    """The room of a program's file: its folder, or for a file at the program's top the file itself."""
    return os.path.dirname(path) if path.count("/") > 2 else path[:-2]


def calls(files, code):
    """Who calls whom among the files of a program. A function that two files define (for two
    systems) belongs to neither."""
    owner = {}
    for path in files:
        for name in definitions(code[path]):
            owner[name] = None if name in owner else path
    edges = {}
    for path in files:
        words = set(re.findall(r"\b[a-z]\w*\b", code[path]))
        edges[path] = {owner[w] for w in words if owner.get(w)} - {path}
    return edges


def upward(known, raw, code):
    edges = {}
    for path in known:
        edges[path] = set(includes(path, code[path], code))
        for target in sorted(edges[path]):
            if not allowed(path, target):
                yield "%s includes %s, which is not below it" % (path, target)
        match = FLOORS.search(raw[path]) if floor(path)[0] == "core" else None
        if match:
            yield "%s:%d names a floor above a core" % (path, raw[path][:match.start()].count("\n") + 1)
        # Below the programs no file names one, except a layer that documents its user in a
        # comment.
        if floor(path)[0] == "layers" and re.search(r'"[^"\n]*(programs|examples)/', code[path]):
            yield "%s names a floor above a layer" % path
    for part in circles(edges):
        yield "a circle of includes: " + " ".join(part)


def in_programs(known, code):
    programs = {}
    for path in known:
        if path.startswith("programs/") and path.endswith(".c"):
            programs.setdefault(floor(path)[1], []).append(path)
    shared = [programs.pop(name, []) for name in SHARED]
    for program, files in sorted(programs.items()):
        edges = calls(files + sum(shared, []), code)
        below = []
        for part in shared:
            below += part
            for path in part:
                for target in sorted(edges[path] - set(below)):
                    yield "%s calls %s, which is above it" % (path, target)
        for part in circles(edges):
            yield "files call each other in a circle: " + " ".join(part)
        rooms = {}
        for path, targets in edges.items():
            rooms.setdefault(room(path), set()).update(room(t) for t in targets if room(t) != room(path))
        for part in circles(rooms):
            yield "rooms call each other in a circle: " + " ".join(part)


def private(known, code):
    for path in known:
        if floor(path)[0] == "bench":
            continue
        own = os.path.basename(path).rsplit(".", 1)[0].lower() + "_p_"
        # A field that is written other than after a dot or an arrow is declared here.
        fields = set(re.findall(r"(?<![.>\w])([a-z]\w*_)\b", re.sub(r"(?:->|\.)\s*", ".", code[path])))
        for number, line in enumerate(code[path].split("\n"), 1):
            for name in sorted(set(re.findall(r"\b(?:dx_\w*?_p_|DX_\w*?_P_)\w+", line))):
                if not name.lower().startswith(own):
                    yield "%s:%d uses %s, which is private to another file" % (path, number, name)
            for name in sorted(set(re.findall(r"(?:\.|->)([a-z]\w*_)\b(?!\()", line))):
                if name not in fields:
                    yield "%s:%d uses the private field %s" % (path, number, name)


def draw(known, code):
    below = {}
    for path in known:
        here, product = floor(path)
        if here in ("layers", "programs", "examples"):
            below.setdefault(product, set()).update(floor(t)[1] for t in includes(path, code[path], code))
    for folder in ("programs", "examples", "layers"):
        for product in sorted(p for p in below if p.startswith(folder)):
            targets = sorted(os.path.basename(t) for t in below[product] - {product})
            print("%-28s -> %s" % (product, " ".join(targets) or "nothing"))
    print("%-28s -> nothing" % " ".join(p for p in known if "/" not in p))


def main(top, drawn):
    known = list(sources(top))
    raw = {}
    for path in known:
        with open(os.path.join(top, path), encoding="utf-8") as file:
            raw[path] = file.read()
    named = {path: without(text, False) for path, text in raw.items()}
    if drawn:
        return draw(known, named)
    code = {path: without(text, True) for path, text in raw.items()}
    for finding in [*upward(known, raw, named), *in_programs(known, code), *private(known, code)]:
        print(finding)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".", "--draw" in sys.argv)
