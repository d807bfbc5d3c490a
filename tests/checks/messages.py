#!/usr/bin/env python3
"""What the programs say: every message, part of a message and help text as a table, and what is wrong with one.

    usage: messages.py TOP            prints one finding a line, nothing when all is well
           messages.py TOP --table    prints all of them instead, to be read through (make messages)

A row has where it is, how it ends (the exit status; errno: the text of errno follows), and its text:

    fail, warn    on standard error, behind the name of the program
    part          the reason or subject that a function puts into such a message
    say           on standard output
    help          of a command, option or exit status

The rules: messages and parts are one line that begins in lower case (names and abbreviations aside) and ends without a period.
A failure names what it is about: by an argument, by an option, or by a definite noun. The words of a translation are refused.
"""
import os
import re
import sys

PRINTS = {"prog_fail": 1, "prog_fail_errno": 0, "prog_warn": 0, "prog_say": 0}
# Parameters and variables that hold a part of a message.
PART = r"(?:why|fault|reason|what|message)"
LITERAL = re.compile(r'"((?:\\.|[^"\\\n])*)"')
TEXTS = r'((?:"(?:\\.|[^"\\\n])*"\s*)+)'
HELP = re.compile(r"\.(summary|details|help|about) =\s*" + TEXTS + r"|\{(PROG_\w+), [\w |]+,\s*" + TEXTS + r"\}")
# Excludes punctuation and columns between other texts.
WORD = re.compile(r"(?<![%a-z])[A-Za-z]{2}")
CAPITAL = re.compile(r"[A-Z][a-z]")
NAMES = re.compile(r"--\w|\[\w+\]|'\w|^(?:the|all|standard|out of memory)\b")
TRANSLATED = re.compile(r"\bis none\b|\bgo(?:es)? on\b|\bso (?:long|many|often)\b|\banew\b|\bis no (?:\w+[:;]|more)\b")
# These print completion scripts, manual pages and a web page.
CODE = {"programs/common/complete.c", "programs/common/manual.c", "programs/dxup/net/page.c"}


def files(top):
    for path, folders, names in os.walk(os.path.join(top, "programs")):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".c", ".h", ".cpp")):
                full = os.path.join(path, name)
                with open(full, encoding="utf-8") as file:
                    text = file.read()
                # A string may contain what begins a comment.
                blank = re.sub(r"'[\"]'|\"(?:[^\"\\\n]|\\.)*\"|/\*.*?\*/",
                               lambda m: m.group(0) if m.group(0)[0] != "/" else re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
                yield os.path.relpath(full, top), blank


def arguments(text, at):
    """The arguments of the call whose parenthesis opened before at."""
    found, begin, depth = [], at, 1
    while depth:
        literal = LITERAL.match(text, at)
        if literal:
            at = literal.end()
            continue
        c = text[at]
        if text[at:at + 3] in ("'\"'", "'('", "')'"):
            at += 2
        depth += c in "([{"
        depth -= c in ")]}"
        if not depth or c == "," and depth == 1:
            found.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return found


def shown(expression):
    """The literals of an expression as one text, without the preprocessor's insertions between them."""
    joined = re.sub(r'"\s*(?:PRI\w+\s*)?"', "", expression)
    return [m.group(1) for m in LITERAL.finditer(joined)]


def takers(sources):
    """The functions that take a part of a message: name -> indices of those arguments."""
    found = {}
    for _, text in sources:
        for m in re.finditer(r"^[A-Za-z_][\w \t*]*?\b(\w+)\(([^;{}()]*)\)\s*[;{]", text, flags=re.M):
            parameters = m.group(2).split(",")
            places = {i for i, one in enumerate(parameters) if re.search(r"\bchar \*" + PART + "$", one.strip())}
            if places and m.group(1) not in PRINTS:
                found.setdefault(m.group(1), set()).update(places)
    return found


def rows(sources):
    """(file, line, kind, status, text) of every message."""
    taking = takers(sources)
    calls = re.compile(r"\b(" + "|".join(sorted(set(PRINTS) | set(taking), key=len, reverse=True)) + r")\(")
    for path, text in sources:
        for m in calls.finditer(text):
            line = text.count("\n", 0, m.start()) + 1
            parts = arguments(text, m.end())
            name = m.group(1)
            if name in PRINTS:
                if "const char" in parts[-2 if len(parts) > 1 else 0] or path in CODE:
                    continue
                place = PRINTS[name]
                status = {"prog_fail": parts[0].replace("PROG_", "").lower(), "prog_fail_errno": "errno"}.get(name, "")
                texts = shown(parts[place]) or [parts[place]]
                # Literals among the arguments are parts, too: cond ? "this" : "that".
                inner = [one for argument in parts[place + 1:] for one in shown(argument)]
                kind = {"prog_say": "say", "prog_warn": "warn"}.get(name, "fail")
                for one in texts:
                    yield path, line, kind, status, one
                for one in inner if kind != "say" else []:
                    yield path, line, "part", "", one
            elif path not in CODE:
                for place in sorted(taking[name]):
                    for one in shown(parts[place]) if place < len(parts) else []:
                        yield path, line, "part", "", one
        for m in re.finditer(r"(?<![.\w])\*?" + PART + r"\s*=\s*([^;{}]*);", text):
            for one in shown(m.group(1)) if "(" not in m.group(1).split('"')[0] else []:
                yield path, text.count("\n", 0, m.start()) + 1, "part", "", one
        for m in HELP.finditer(text):
            what, literals = (m.group(1), m.group(2)) if m.group(1) else ("exit", m.group(4))
            yield path, text.count("\n", 0, m.start()) + 1, "help", what, "".join(shown(literals))


def fault(kind, status, text):
    """The error in it, or None."""
    plain = text.replace("\\n", " ").strip()
    translated = TRANSLATED.search(plain)
    if translated:
        return f"'{translated.group(0)}' reads like a translation"
    if kind == "say":
        return None
    if kind == "help":
        if status in ("about", "details"):
            return None if re.search(r"[.:]$", plain) else "a paragraph ends with a period"
        if plain.endswith("."):
            return "a heading ends with a period"
        return "begins with a capital" if status == "help" and CAPITAL.match(plain) else None
    if "\\n" in text:
        return "has a line break, which is added to it anyway"
    if re.search(r"(?<![ .])\.$", plain):
        return "ends with a period"
    if CAPITAL.match(plain):
        return "begins with a capital"
    if kind == "fail" and "%" not in plain and not NAMES.search(plain) and not re.fullmatch(r"[A-Z_]+", plain):
        return "does not name what it is about"
    return None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sources = list(files(sys.argv[1]))
    every = sorted(row for row in set(rows(sources)) if row[2] not in ("say", "part") or WORD.search(row[4]))
    if sys.argv[2:] == ["--table"]:
        before = None
        for path, line, kind, status, text in every:
            if path != before:
                print(f"\n{path}")
            before = path
            for i, one in enumerate(re.sub(r"(\\n)+$", "", text).split("\\n")):
                print(f"{line:6} {kind:4} {status:9} {one}" if not i else f"{'':21} {one}")
        return
    for path, line, kind, status, text in every:
        wrong = fault(kind, status, text)
        if wrong:
            print(f"{path}:{line}: {wrong}: {text}")


main()
