#!/usr/bin/env python3
"""Mutation score of a header: do its tests notice when one operator, constant or statement changes?

usage: tests/mutants.py HEADER [--count N] [--seed N] [--lines A-B] [--again FILE] [--budget SECONDS]
                        [--no-sanitizers]
       HEADER: dx_cas, dx_cas.h, bulk, layers/dx_bulk.h; SUITES below says what tests it

A mutant is the header with one change:
  operator    + - * / % & | ^ << >> < <= > >= == != && || ! ~ ++ -- and the assignments made of them
  constant    one more, one less, 0; true and false exchanged
  statement   an assignment or a call removed, break, continue or goto removed, the value of a return
              changed, the condition of an if made true or false, a loop never entered

Left alone: comments, preprocessor lines, strings, assertions, attributes, declarations without code,
lines that no suite compiles. Which test executes which line is found out first (each basic block
notes itself in a map of the run), so only tests that execute the changed line run, fast ones first, as
long as the budget reaches (tests take the time that they took with the header as it is);
the first that fails, crashes or takes far too long kills the mutant. What survives is built again
with ASan and UBSan. A mutant that does not compile, or whose optimised objects are those of the
original, does not count; nor does one that tests/mutants.md explains (listed apart).

The list of survivors is printed and kept in build/mutants/NAME.survivors; --again FILE judges the
mutants of such a list anew. Everything runs in build/mutants/, in private copies of the tree.
Environment: JOBS, CC (clang is taken where it is installed: at -O0 it needs half the time).
"""
import argparse
import bisect
import collections
import concurrent.futures
import glob
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(TOP, "build", "mutants")
CC = shutil.which("clang") or os.environ.get("CC", "cc")
STD = "-std=c11"
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FIXED = ["setarch", "-R"] if subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL,
                                            check=False).returncode == 0 else []
SLOW = 30  # seconds: a test that takes longer is stopped then, and only its failures count
MEMORY_MAX = 8 << 30  # address space of a test without sanitizers
FILE_MAX = 2 << 30    # size of a file that it writes
LARGE = {"ca_file_device": 9 << 30, "files_read_write_fsync_io_uring": 9 << 30,
         "files_read_write_fsync_epoll": 9 << 30}  # sparse files

# ---------------------------------------------------------------- suites
#
# A suite is a program of the test kit, perhaps with options for a variant of the header, and with libraries. A core
# has those of its name and the ones added here (a new suite of that name is found by itself); a layer those that
# include it. PROGRAMS are run whole: they must end with status 0 and, unless it varies, print the same as with the
# unchanged header.
SUITES = {
    "dx_cas": ["tests/*/test_cas*.c", "tests/cores/test_cas_hash.c -DDX_CAS_LANES=1",
               "tests/cores/test_cas_hash.c -DDX_CAS_SMALL"],
    "dx_codec": ["tests/cores/test_hbtp_codec.c -DDX_CODEC_ZSTD -DDX_CODEC_SODIUM -lzstd -lsodium"],
    "dx_crc32c": ["tests/layers/test_crc32c.c", "tests/layers/test_crc32c.c -DDX_CRC32C_PORTABLE"],
    "dx_hbtp": ["tests/cores/test_hbtp*.c"],
    "dx_patch": ["tests/cores/test_patch*.c", "tests/cores/test_flash*.c"],
    "dx_reactor": ["tests/cores/test_reactor*.c", "tests/cores/test_workers.c"],
    "dx_teleport": ["tests/cores/test_teleport*.c",
                    "tests/cores/test_teleport.c -DDX_TELEPORT_LITTLE_ENDIAN=0"],
}
PROGRAMS = {  # source: the arguments of each run; OLD and NEW are two executables
    "dx_cas": {"examples/hello/hello_cas.c": [[]], "tests/ports/vectors.c": [["OLD", "NEW"]]},
    "dx_hbtp": {"examples/hello/hello_hbtp.c": [[]], "tests/ports/vectors.c": [["OLD", "NEW"]]},
    "dx_patch": {"examples/hello/hello_patch.c": [[]], "tests/ports/vectors.c": [["OLD", "NEW"]]},
    "dx_teleport": {"examples/hello/hello_teleport.c": [[]],
                    "tests/ports/vectors.c": [["OLD", "NEW"]],
                    "tests/ports/teleport.c": [[]], "tests/readers/samples.c": [["100"]]},
    "dx_reactor": {"examples/hello/hello_reactor.c": [[]],
                   "tests/ports/conform.c": [["simulated"], ["epoll"], ["io_uring"]],
                   "tests/ports/ledger.c": [[]]},
}
# Optimised: forced inlining makes them slow to compile without, or the many runs slow to run.
OPTIMISE = {"tests/cores/test_teleport.c": "-O1", "tests/cores/test_cas_crash.c": "-O1",
            "tests/cores/test_cas_disk.c": "-O1"}
# Fewer runs of tests that take a minute in the normal suite. Most properties of the test kit are short by themselves
# (DX_TEST_RUNS only multiplies); the others check DX_TEST_SHORT.
SHORT = "-DDX_TEST_SHORT"
QUICK = {"DX_CRASH_RUNS": "20000", "DX_FAULT_RUNS": "3000"}
# A failure must be repeatable: these depend on timing and the load of the machine.
TIMED = ("test_reactor", "test_workers", "test_connections", "test_cas_race", "conform", "ledger",
         "hello_reactor")


class Suite:
    def __init__(self, source, runs=None):
        self.source, *self.options = source.split()
        self.name = os.path.basename(self.source)[:-2] + "".join(self.options).replace("-DDX", "")
        self.runs = runs              # a program's arguments, None for one of the kit
        self.optimise = OPTIMISE.get(self.source, "-O0")
        self.compiled = set()         # lines of the header that it compiles
        self.tests = {}               # test: (seconds, lines that it executes, output of a program)
        self.compile_seconds = 1.0
        self.objects = None           # the unchanged header's object, optimised


def suites_of(header):
    name = os.path.basename(header)[:-2]
    if name in SUITES:
        sources = [" ".join([s] + pattern.split()[1:]) for pattern in SUITES[name]
                   for s in sorted(glob.glob(pattern.split()[0], root_dir=TOP))]
        programs = PROGRAMS.get(name, {})
    else:
        sources = [s for s in sorted(glob.glob("tests/*/test_*.c", root_dir=TOP))
                   if includes(s, header, set())]
        programs = {}
    return [Suite(s) for s in sources] + [Suite(s, runs) for s, runs in programs.items()]


def includes(source, header, seen):
    """Does the file include the header, itself or through another?"""
    if source in seen or not os.path.exists(os.path.join(TOP, source)):
        return False
    seen.add(source)
    with open(os.path.join(TOP, source), encoding="utf-8") as f:
        names = re.findall(r'^\s*#\s*include "([^"]+)"', f.read(), re.M)
    paths = [os.path.normpath(os.path.join(os.path.dirname(source), n)) for n in names]
    return header in paths or any(includes(p, header, seen) for p in paths)


# ---------------------------------------------------------------- running, in a box
def run(command, folder, seconds, env=None, memory=MEMORY_MAX, scratch=None,
        file_max=FILE_MAX):
    """Status (None: took too long) and output; afterwards none of its processes is running."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DX_")}
    environment.update(env or {})
    environment["LC_ALL"] = "C"
    if scratch:
        environment.update(TMPDIR=scratch, HOME=scratch)

    def limits():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_max, file_max))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 4))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    with open(os.path.join(scratch or folder, ".output"), "w+b") as output:
        p = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                             stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                             preexec_fn=limits)
        RUNNING.add(p.pid)
        try:
            status = p.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(p.pid, signal.SIGKILL)  # children too
        except ProcessLookupError:
            pass
        p.wait()
        RUNNING.discard(p.pid)
        output.seek(0)
        return status, output.read(1 << 20).decode("utf-8", "replace")


RUNNING = set()  # leaders of process groups


def interrupted(trees):
    """On a signal: end all processes and remove all files."""
    for group in list(RUNNING):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for tree in trees:
        tree.remove()
    os._exit(130)


class Tree:
    """A private copy of the tree, made of links, where the header is replaced and tests run."""

    def __init__(self, name, header):
        self.path = os.path.join(OUT, name)
        self.header = os.path.join(self.path, header)
        self.scratch = os.path.join("/dev/shm" if os.access("/dev/shm", os.W_OK) else self.path,
                                    "dx_mutants.%d.%s" % (os.getpid(), os.path.basename(name)))
        shutil.rmtree(self.path, ignore_errors=True)
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP,
                                stdout=subprocess.PIPE, text=True)
        if listed.returncode != 0:
            sys.exit("mutants.py copies what git lists: it needs git and a clone")
        listed = listed.stdout.split("\n")
        for file in filter(None, listed):
            if not os.path.exists(os.path.join(TOP, file)):
                continue
            place = os.path.join(self.path, file)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if file.startswith("tests/corpus/"):
                shutil.copy(os.path.join(TOP, file), place)
            else:
                os.symlink(os.path.join(TOP, file), place)
        os.makedirs(os.path.join(self.path, "build"), exist_ok=True)
        os.unlink(self.header)
        self.clean()

    def write(self, text):
        with open(self.header, "w", encoding="utf-8") as f:
            f.write(text)

    def clean(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)

    def remove(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def compile(self, suite, output, flags, extra=()):
        libraries = [o for o in suite.options if o.startswith("-l")]
        options = [o for o in suite.options if o not in libraries]
        command = [CC, STD, "-w", SHORT, *flags, *options, suite.source, *extra, "-o", output]
        if "-c" not in flags and "-E" not in flags:
            command += ["-lpthread", *libraries]
        return run(command, self.path, 300, memory=None)

    def test(self, suite, program, test, seconds, env=None, memory=MEMORY_MAX):
        """Runs one test of a suite, or a program with its arguments."""
        folder = self.path
        if suite.runs is not None:
            folder = self.scratch
            arguments = [os.path.join(OUT, a.lower()) if a in ("OLD", "NEW") else a
                         for a in test.split()]
        else:
            arguments = [test]
        env = dict(QUICK, DX_TEST_FAST="1", **(env or {}))
        result = run(FIXED + [os.path.join(self.path, program), *arguments], folder, seconds, env,
                     memory, self.scratch, LARGE.get(test, FILE_MAX))
        self.clean()
        return result


# ---------------------------------------------------------------- which test executes which line
COVER = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
static uint8_t *map;
__attribute__((constructor(101))) static void begin(void)
{
    const char *name = getenv("DX_TEST_COVER");
    int fd = name ? open(name, O_RDWR) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) map = (uint8_t *)p;
}
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t pc = (uintptr_t)__builtin_return_address(0) - BASE;
    if (map && pc < SIZE) map[pc] = 1;
}
"""
COVER_BASE, COVER_SIZE = 0x400000, 1 << 25


def block_lines(program, header):
    """Where the calls of the callback are, and the lines of each block, in the order of addresses."""
    calls = []
    for line in subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split("\n"):
        if "<__sanitizer_cov_trace_pc>" in line and not line.endswith(">:"):
            calls.append(int(line.split(":")[0], 16))
    calls.sort()
    lines = [set() for _ in calls]
    row = re.compile(re.escape(os.path.basename(header)) + r"\s+(\d+)\s+0x([0-9a-f]+)")
    for line in subprocess.run(["objdump", "-W", "--dwarf=decodedline", program], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split("\n"):
        m = row.match(line)
        if m:
            at = bisect.bisect_right(calls, int(m.group(2), 16)) - 1
            if at >= 0:
                lines[at].add(int(m.group(1)))
    return calls, lines


def measure(tree, suite, header, original):
    """Fills in which lines a suite compiles, and for each of its tests the time and the lines."""
    tree.write(original)
    output = os.path.join(tree.path, "build", "pp")
    status, text = tree.compile(suite, output, ["-E"])
    if status != 0:
        raise SystemExit("%s does not preprocess:\n%s" % (suite.source, text))
    with open(output, encoding="utf-8", errors="replace") as f:
        compiled, here, number = set(), False, 0
        for line in f:
            m = re.match(r'#\s+(\d+)\s+"([^"]*)"', line)
            if m:
                here = os.path.normpath(m.group(2)) == header
                number = int(m.group(1))
            else:
                if here and line.strip() and not line.startswith("#"):
                    compiled.add(number)
                number += 1
    suite.compiled = compiled
    with open(output, "rb") as f:
        how = "once" if suite.runs is None else "%r twice" % suite.runs
        key = hashlib.sha256(f.read() + CC.encode() + how.encode()).hexdigest()
    cache = os.path.join(OUT, "cover", "%s.%s.json" % (os.path.basename(header), suite.name))
    os.makedirs(os.path.dirname(cache), exist_ok=True)
    if os.path.exists(cache):
        with open(cache, encoding="utf-8") as f:
            stored = json.load(f)
        if stored["key"] == key:
            suite.compile_seconds = stored["compile"]
            suite.tests = {t: (v[0], set(v[1]), v[2]) for t, v in stored["tests"].items()}
            return
    program = os.path.join(tree.path, "build", "cover")
    callback = os.path.join(tree.path, "build", "cover.c")
    with open(callback, "w", encoding="utf-8") as f:
        f.write(COVER.replace("SIZE", hex(COVER_SIZE)).replace("BASE", hex(COVER_BASE)))
    run([CC, "-w", "-c", "-O1", callback, "-o", callback[:-1] + "o"], tree.path, 60, memory=None)
    pruned = ["-fsanitize-coverage=bb,no-prune,trace-pc"] if "clang" in CC else \
             ["-fsanitize-coverage=trace-pc"]
    optimise = suite.optimise if not suite.name.startswith("test_teleport") else "-O0"
    status, text = tree.compile(suite, program, [optimise, "-g", "-no-pie", *pruned],
                                [callback[:-1] + "o"])
    if status != 0:
        raise SystemExit("%s does not compile:\n%s" % (suite.source, text))
    calls, lines = block_lines(program, header)
    began = time.monotonic()
    tree.compile(suite, os.path.join(tree.path, "build", "plain"), [suite.optimise])
    suite.compile_seconds = time.monotonic() - began
    if suite.runs is None:
        names = subprocess.run(["nm", program], stdout=subprocess.PIPE, check=True, text=True).stdout
        tests = sorted(set(re.findall(r" dx_test_body_(\w+)", names)))
    else:
        tests = [" ".join(r) for r in suite.runs]
    hits = os.path.join(tree.path, "build", "hits")
    for test in tests:
        with open(hits, "wb") as f:
            f.truncate(COVER_SIZE)
        began = time.monotonic()
        status, text = tree.test(suite, program, test, SLOW, {"DX_TEST_COVER": hits})
        seconds = min(time.monotonic() - began, SLOW)
        if status not in (0, None) or re.search(r"^skip ", text, re.M):
            print("not used: %s %s (%s)" % (suite.name, test, "skipped" if status == 0 else
                                            "fails with the header as it is, status %s" % status))
            continue
        with open(hits, "rb") as f:
            data = f.read()
        executed = set()
        at = data.find(1)
        while at >= 0:
            executed |= lines[bisect.bisect_right(calls, at + COVER_BASE - 1) - 1]
            at = data.find(1, at + 1)
        said = None  # a program's output that never varies; some print counts that depend on timing
        if suite.runs is not None and status == 0 and \
                tree.test(suite, program, test, SLOW) == (status, text):
            said = text
        suite.tests[test] = (seconds, executed, said)
    with open(cache, "w", encoding="utf-8") as f:
        json.dump({"key": key, "compile": suite.compile_seconds,
                   "tests": {t: (v[0], sorted(v[1]), v[2]) for t, v in suite.tests.items()}}, f)


# ---------------------------------------------------------------- mutants of C
Token = collections.namedtuple("Token", "kind text start end line")
Mutant = collections.namedtuple("Mutant", "start end new first last line function what")

TOKEN = re.compile(r"""
    (?P<space>\s+|/\*.*?\*/|//[^\n]*|\\\n)
  | (?P<pp>(?<![^\n])[ \t]*\#(?:/\*.*?\*/|\\\n|[^\n])*)
  | (?P<str>"(?:\\.|[^"\\])*")
  | (?P<chr>'(?:\\.|[^'\\])*')
  | (?P<num>\.?[0-9](?:[eEpP][+-]|[0-9a-zA-Z_.])*)
  | (?P<id>[A-Za-z_]\w*)
  | (?P<op><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\s])
""", re.X | re.S)

OPERATORS = {
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"],
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"],
    "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
    "&": ["|"], "|": ["&", "^"], "^": ["|"], "<<": [">>"], ">>": ["<<"],
    "++": ["--"], "--": ["++"],
    "+=": ["-=", "="], "-=": ["+=", "="], "*=": ["/="], "/=": ["*="], "%=": ["/="],
    "&=": ["|=", "="], "|=": ["&=", "="], "^=": ["|="], "<<=": [">>="], ">>=": ["<<="],
}
EITHER = {"+", "-", "*", "&"}  # with one operand or with two
TYPES = {"void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "bool",
         "const", "volatile", "struct", "union", "enum", "static", "inline", "extern", "register",
         "size_t", "ptrdiff_t", "_Bool", "typedef"}
VALUES = {"return", "case", "sizeof", "else", "do", "goto"}  # no operand ends with these


def tokenize(text):
    tokens, line, at = [], 1, 0
    while at < len(text):
        m = TOKEN.match(text, at)
        kind, part = m.lastgroup, m.group()
        if kind == "space" and "\n" in part and not part.startswith("/"):
            # A preprocessor line starts after its newline: do not swallow the indent.
            part = part[:part.rindex("\n") + 1]
        if kind not in ("space", "pp"):
            tokens.append(Token(kind, part, at, at + len(part), line))
        line += part.count("\n")
        at += len(part)
    return tokens


def typedefs(text):
    return set(re.findall(r"(?:^\}|\btypedef\b[^;{]*?)\s*\**(\w+)(?:\[[^]]*\])*;", text, re.M)) | \
        set(re.findall(r"^typedef (?:struct|union|enum)\s+\w+\s+(\w+);", text, re.M))


class Maker:
    """All mutants of a header's code."""

    def __init__(self, text, types):
        self.text = text
        self.tokens = tokenize(text)
        self.types = TYPES | types
        self.sites = []  # lists of mutants of one place
        self.partner = self.match()
        self.extent = {}  # token index: first and last line of its statement
        begin = re.search(r"^#if .*_IMPLEMENTATION\)", text, re.M)
        self.begin = begin.start() if begin else 0

    def is_type(self, i):
        t = self.tokens[i]
        return t.kind == "id" and (t.text in self.types or t.text.endswith("_t") or
                                   re.fullmatch(r"[A-Z][A-Z0-9_]*_INLINE|[A-Z0-9_]*_FOLDED", t.text) is not None)

    def match(self):
        partner, stack = {}, []
        for i, t in enumerate(self.tokens):
            if t.text == "}" and t.kind == "op" and self.column(t) == 0:
                # The end of a function, whatever #if branches left open.
                while stack and self.tokens[stack[-1]].text != "{":
                    stack.pop()
                while len(stack) > 1:
                    stack.pop()
            if t.kind == "op" and t.text in "([{":
                stack.append(i)
            elif t.kind == "op" and t.text in ")]}" and stack:
                partner[i] = stack.pop()
                partner[partner[i]] = i
        return partner

    def column(self, t):
        return t.start - self.text.rfind("\n", 0, t.start) - 1

    def add(self, i, j, news, what, first=None, last=None):
        """Tokens i..j, replaced by each of news; lines stay where they are."""
        start, end = self.tokens[i].start, self.tokens[j].end
        old = self.text[start:end]
        a, b = self.extent.get(i, (self.tokens[i].line, self.tokens[j].line))
        made = []
        for new in news:
            new += "\n" * (old.count("\n") - new.count("\n"))
            if new != old:
                made.append(Mutant(start, end, new, first or a, last or b, self.tokens[i].line,
                                   self.function, what))
        if made:
            self.sites.append(made)

    def skipped(self, i):
        """After an assertion, an attribute, assembler or a compile-time check: the last token."""
        t = self.tokens[i]
        if t.kind == "id" and (t.text.endswith("_ASSERT") or t.text in (
                "assert", "__attribute__", "_Static_assert", "static_assert", "__asm__", "asm",
                "_Pragma", "_Alignas", "__volatile__")):
            if i + 1 < len(self.tokens) and self.tokens[i + 1].text == "(":
                return self.partner.get(i + 1, i)
        return None

    def cast(self, close):
        """Is this ) the end of a cast?"""
        begin = self.partner.get(close)
        if begin is None or close - begin < 2:
            return False
        inside = range(begin + 1, close)
        return any(self.is_type(k) for k in inside) and all(
            self.tokens[k].kind == "id" or self.tokens[k].text == "*" for k in inside) and not (
            begin and (self.tokens[begin - 1].text == "sizeof"))

    def binary(self, i):
        """Does the operator at i have an operand before it?"""
        p = self.tokens[i - 1]
        if p.kind in ("num", "chr"):
            return True
        if p.kind == "id":
            return p.text not in VALUES
        return p.text == "]" or (p.text == ")" and not self.cast(i - 1))

    def make(self):
        self.function = ""
        i, n = 0, len(self.tokens)
        while i < n:
            t = self.tokens[i]
            if t.text == "{" and t.kind == "op" and i and self.tokens[i - 1].text == ")" and \
                    self.column(t) == 0 or (t.text == "{" and i and self.tokens[i - 1].text == ")"
                                            and t.kind == "op" and self.named(i)):
                self.function = self.named(i) or "?"
                end = self.partner.get(i, i)
                self.body(i + 1, end)
                self.function = ""
                i = end + 1
                continue
            if t.text == "typedef":  # a type, or a check at compile time
                while i < n and self.tokens[i].text != ";":
                    i = self.partner.get(i, i) + 1 if self.tokens[i].text in ("(", "{") else i + 1
            elif t.start >= self.begin:
                end = self.skipped(i)
                if end is not None:
                    i = end
                elif t.kind in ("num", "chr") and self.within_braces(i):
                    self.number(i)
            i += 1
        return self.sites

    def named(self, brace):
        """The function whose body opens here."""
        k = brace - 1
        while k > 0 and self.tokens[k].text == ")":
            k = self.partner.get(k, 0) - 1
            if k > 0 and self.tokens[k].text == "__attribute__":
                k -= 1
        return self.tokens[k].text if k > 0 and self.tokens[k].kind == "id" else None

    def within_braces(self, i):
        """A value of a table or an enumeration, not the dimension of an array."""
        return self.tokens[i - 1].text in ("{", ",", "=", "-", "+", "<<", "|", "*") and \
            self.tokens[i - 1].text != "["

    def body(self, i, end):
        self.lines = (self.tokens[i].line, self.tokens[end].line)
        self.statements(i, end)
        k = i
        while k < end:
            skip = self.skipped(k)
            if skip is not None:
                k = skip + 1
                continue
            t = self.tokens[k]
            if t.kind in ("num", "chr"):
                self.number(k)
            elif t.kind == "id" and t.text in ("true", "false"):
                self.add(k, k, ["false" if t.text == "true" else "true"], "constant")
            elif t.kind == "op":
                self.operator(k)
            k += 1

    def number(self, i):
        t = self.tokens[i]
        before = self.tokens[i - 1].text
        if t.kind == "chr":
            self.add(i, i, ["(%s + 1)" % t.text], "constant")
            return
        m = re.fullmatch(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)([uUlL]*)", t.text)
        if not m:
            return
        digits, suffix = m.groups()
        value = int(digits, 16) if digits[:2] in ("0x", "0X") else \
            int(digits, 8) if digits[0] == "0" and len(digits) > 1 else int(digits)
        values = [value + 1] + ([value - 1, 0] if value else [])
        if value == 1:
            values = [2, 0]
        if before == "[" and i > 1 and self.declared(i):
            values = [v for v in values if v < value and v]  # a larger array changes nothing
        self.add(i, i, [(hex(v) if digits[:2] in ("0x", "0X") else str(v)) + suffix for v in values],
                 "constant")

    def declared(self, i):
        """Is this number the dimension of an array that is declared here?"""
        k = i
        while k and self.tokens[k].text not in (";", "{", "}"):
            k -= 1
        return self.is_type(k + 1)

    def operator(self, i):
        t = self.tokens[i]
        if t.text in ("!", "~"):
            self.add(i, i, [""], "operator")
            return
        if t.text not in OPERATORS:
            return
        if t.text in EITHER and not self.binary(i):
            if t.text == "-" and self.tokens[i + 1].kind != "num":
                self.add(i, i, [""], "operator")
            return
        if t.text == "*" and (self.is_type(i - 1) or self.tokens[i + 1].text in (")", ",", "*")):
            return  # a type
        self.add(i, i, OPERATORS[t.text], "operator")

    def statements(self, i, end):
        while i < end:
            i = self.statement(i, end)

    def until(self, i, end):
        """The ; that ends the statement at i."""
        while i < end and self.tokens[i].text != ";":
            if self.tokens[i].text in ("(", "[", "{"):
                i = self.partner.get(i, i)
            i += 1
        return min(i, end)

    def spread(self, i, j):
        for k in range(i, j + 1):
            self.extent[k] = (self.tokens[i].line, self.tokens[j].line)

    def statement(self, i, end):
        t = self.tokens[i]
        if t.text in ("{", "}", ";", "else", "do"):
            return i + 1
        if t.text in ("if", "while", "for", "switch") and self.tokens[i + 1].text == "(":
            close = self.partner.get(i + 1, i + 1)
            self.spread(i, close)
            if t.text == "if":
                self.add(i + 2, close - 1, ["1", "0"], "condition")
            elif t.text == "while" and self.tokens[i + 2].text not in ("0", "true"):
                self.add(i + 2, close - 1, ["0"], "condition")
            return close + 1
        if t.text in ("case", "default"):
            while self.tokens[i].text != ":" and i < end:
                i += 1
            return i + 1
        if t.kind == "id" and self.tokens[i + 1].text == ":":
            return i + 2  # a label
        stop = self.until(i, end)
        if stop >= end:
            return end
        self.spread(i, stop)
        words = [self.tokens[k].text for k in range(i, stop)]
        if t.text == "static" or ("[" in words and "=" not in words and self.is_type(i)):
            # A table or room for one: no code of its own.
            for k in range(i, stop + 1):
                self.extent[k] = self.lines
        if t.text in ("break", "continue", "goto"):
            self.add(i, stop, [";"], "statement")
        elif t.text == "return":
            value = self.text[self.tokens[i + 1].start:self.tokens[stop].start] if stop > i + 1 else ""
            if not value:
                self.add(i, stop, [";"], "statement")
            elif value in ("0", "NULL", "false"):
                self.add(i + 1, stop - 1, ["1"], "statement")
            elif re.fullmatch(r"DX_\w+_OK", value):
                self.add(i + 1, stop - 1, ["-1"], "statement")
            else:
                self.add(i + 1, stop - 1, ["0", "1"] if value not in ("1", "true") else ["0"],
                         "statement")
        elif self.skipped(i) is None and not self.is_type(i) and not (
                t.kind == "id" and self.tokens[i + 1].kind == "id") and not (
                t.kind == "id" and self.tokens[i + 1].text == "*" and
                self.tokens[i + 2].kind == "id" and self.tokens[i + 3].text in ("=", ";", ",", "[")
                ) and not (t.text == "(" and self.tokens[i + 1].text == "void"):
            self.add(i, stop, [";"], "statement")
        return stop + 1


def mutated(text, m):
    return text[:m.start] + m.new + text[m.end:]


def shown(text, m):
    """The line before and after; a change over more lines is shown in one."""
    begin = text.rfind("\n", 0, m.start) + 1
    stop = text.find("\n", m.end)
    squeeze = lambda s: re.sub(r"\s+", " ", s).strip()
    return squeeze(text[begin:stop]), squeeze(text[begin:m.start] + m.new + text[m.end:stop])


# ---------------------------------------------------------------- judging
class Judge:
    def __init__(self, header, suites, original, sanitizers, budget):
        self.header, self.suites, self.original = header, suites, original
        self.sanitizers, self.budget = sanitizers, budget
        self.lock = threading.Lock()

    def covering(self, m):
        """Suites with the tests that execute the changed lines, cheapest first, for as long as the budget lasts; and
        the total number of tests."""
        lines = set(range(m.first, m.last + 1))
        found, count, total = [], 0, 0.0
        for suite in self.suites:
            if not lines & suite.compiled:
                continue
            if m.function:
                tests = [t for t, v in suite.tests.items() if lines & v[1]]
            else:  # a constant outside of functions
                tests = list(suite.tests)
            found += [(suite.tests[t][0], suite, t) for t in tests]
        found.sort(key=lambda f: f[0])
        chosen_tests = {}
        for seconds, suite, test in found:
            total += seconds
            if total <= self.budget or count < 3:
                chosen_tests.setdefault(suite, []).append(test)
                count += 1
        cost = {s: s.compile_seconds + min(1.0, sum(s.tests[t][0] for t in tests) / 4)
                for s, tests in chosen_tests.items()}
        return sorted(chosen_tests.items(), key=lambda c: cost[c[0]]), len(found)

    def fails(self, tree, suite, program, test, seconds, sanitized):
        slow = seconds >= SLOW
        limit = SLOW if slow else 5 + seconds * (20 if sanitized else 8)
        memory = None if sanitized else MEMORY_MAX
        for _ in range(2 if suite.name.startswith(TIMED) else 1):
            status, text = tree.test(suite, program, test, limit, memory=memory)
            if status == 0 and text == (suite.tests[test][2] or text):
                return None
        if slow and (status is None or status == -signal.SIGXCPU):
            return None
        return "hang" if status is None or status == -signal.SIGXCPU else \
            "crash" if status < 0 else "failed"

    def same_objects(self, tree, m):
        """Do all suites compile to the same as without the change?"""
        lines = set(range(m.first, m.last + 1))
        output = os.path.join(tree.path, "build", "object.o")
        for suite in self.suites:
            if not lines & suite.compiled:
                continue
            with self.lock:
                if suite.objects is None:
                    tree.write(self.original)
                    tree.compile(suite, output, ["-c", "-O2"])
                    with open(output, "rb") as f:
                        suite.objects = hashlib.sha256(f.read()).digest()
                    tree.write(mutated(self.original, m))
            status, _ = tree.compile(suite, output, ["-c", "-O2"])
            with open(output, "rb") as f:
                if status != 0 or hashlib.sha256(f.read()).digest() != suite.objects:
                    return False
        return True

    def judge(self, tree, m):
        """invalid, same, killed or survived; and by which test, or why not."""
        tree.write(mutated(self.original, m))
        program = os.path.join(tree.path, "build", "mutant")
        covering, executing = self.covering(m)
        for sanitized in (False, True) if self.sanitizers and covering else (False,):
            if sanitized and self.same_objects(tree, m):
                return "same", ""
            for suite, tests in covering:
                flags = SANITIZE if sanitized else [suite.optimise]
                if tree.compile(suite, program, flags)[0] != 0:
                    return "invalid", suite.name
                for test in tests:
                    seconds = suite.tests[test][0]
                    how = self.fails(tree, suite, program, test, seconds, sanitized)
                    if how:
                        return "killed", "%s%s: %s %s" % (suite.name, ".asan" if sanitized else "",
                                                          test, how)
        if not covering:
            suite = next((s for s in self.suites
                          if set(range(m.first, m.last + 1)) & s.compiled), None)
            if suite is None or tree.compile(suite, program, ["-O0"])[0] != 0:
                return "invalid", ""
        if not (self.sanitizers and covering) and self.same_objects(tree, m):
            return "same", ""
        return "survived", "no test executes it" if not covering else \
            "%d of the %d tests that execute it were run" % (sum(len(t) for _, t in covering), executing)


def explained(header):
    """The pairs of lines that tests/mutants.md explains, as patterns: ... stands for any text."""
    path = os.path.join(TOP, "tests", "mutants.md")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        part = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(header), f.read(), re.M | re.S)
    pairs = re.findall(r"^- `` (.*?) ``\n +`` (.*?) ``", part.group(1), re.M) if part else []
    return [tuple(re.compile(re.escape(line).replace(r"\.\.\.", ".*")) for line in pair)
            for pair in pairs]


def old_and_new():
    """Two versions of an executable, for tests/ports/vectors.c."""
    for name, level in (("old", "-O1"), ("new", "-O2")):
        subprocess.run([CC, "-w", level, "-s", os.path.join(TOP, "examples/hello/hello_hbtp.c"),
                        "-o", os.path.join(OUT, name)], check=True)


def find_header(name):
    for candidate in (name, name + ".h", *sorted(glob.glob("*/%s/%s.h" % (name, name), root_dir=TOP)),
                      *sorted(glob.glob("*/*/%s.h" % name, root_dir=TOP)),
                      *sorted(glob.glob("*/%s.h" % name, root_dir=TOP))):
        if os.path.isfile(os.path.join(TOP, candidate)):
            return os.path.relpath(os.path.join(TOP, candidate), TOP)
    raise SystemExit("no header of the name %s" % name)


def chosen(maker_sites, compiled, seed, lines, again, text):
    """Mutants in the order in which they are tried."""
    sites = [s for s in maker_sites
             if set(range(s[0].first, s[0].last + 1)) & compiled and
             (not lines or lines[0] <= s[0].line <= lines[1])]
    if again is not None:
        return [m for s in sites for m in s if shown(text, m) in again], len(sites)
    chance = random.Random(seed)
    chance.shuffle(sites)
    return [chance.choice(s) for s in sites], len(sites)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("header")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines")
    parser.add_argument("--again", help="a list of survivors of an earlier run")
    parser.add_argument("--no-sanitizers", action="store_true")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests for a mutant")
    o = parser.parse_args()
    header = find_header(o.header)
    name = os.path.basename(header)[:-2]
    jobs = int(os.environ.get("JOBS") or os.cpu_count())
    lines = [int(x) for x in o.lines.split("-")] if o.lines else None
    again = None
    if o.again:
        with open(o.again, encoding="utf-8") as f:
            again = set(re.findall(r"^    - (.*)\n    \+ (.*)$", f.read(), re.M))
    with open(os.path.join(TOP, header), encoding="utf-8") as f:
        original = f.read()
    os.makedirs(OUT, exist_ok=True)
    old_and_new()
    suites = suites_of(header)
    if not suites:
        raise SystemExit("no suite includes %s" % header)
    trees = [Tree("%s.%d" % (name, k), header) for k in range(jobs)]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: interrupted(trees))
    free = list(trees)
    lock = threading.Lock()

    def with_tree(f, *arguments):
        with lock:
            tree = free.pop()
        try:
            return f(tree, *arguments)
        finally:
            with lock:
                free.append(tree)

    try:
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda s: with_tree(measure, s, header, original), suites))
            types = set()
            for path in [header, *glob.glob("dx_*.h", root_dir=TOP)]:
                with open(os.path.join(TOP, path), encoding="utf-8") as f:
                    types |= typedefs(f.read())
            sites = Maker(original, types).make()
            compiled = set().union(*(s.compiled for s in suites))
            mutants, places = chosen(sites, compiled, o.seed, lines, again, original)
            print("%s: %d places to change, %d suites, seed %d" % (header, places, len(suites), o.seed))
            sys.stdout.flush()
            report(Judge(header, suites, original, not o.no_sanitizers, o.budget), pool, with_tree, mutants,
                   o, name, explained(header))
    finally:
        for tree in trees:
            tree.remove()


def report(judge, pool, with_tree, mutants, o, name, known):
    counts = collections.Counter()
    how = collections.Counter()
    survivors, understood = [], []
    queue, at = collections.deque(), 0
    began = time.monotonic()
    while counts["killed"] + counts["survived"] < o.count:
        while at < len(mutants) and len(queue) < 2 * pool._max_workers:
            queue.append((mutants[at], pool.submit(with_tree, judge.judge, mutants[at])))
            at += 1
        if not queue:
            break
        m, future = queue.popleft()
        verdict, by = future.result()
        before, after = shown(judge.original, m)
        if verdict == "survived" and any(a.fullmatch(before) and b.fullmatch(after) for a, b in known):
            understood.append(m)
            verdict = "explained"
        counts[verdict] += 1
        if sum(counts.values()) % 10 == 0:
            print("... %s, %d s" % (dict(counts), time.monotonic() - began))
            sys.stdout.flush()
        if verdict == "killed":
            how[by.rsplit(" ", 1)[1]] += 1
        if verdict == "survived":
            survivors.append(m)
            print("%s:%d %s (%s; %s)\n    - %s\n    + %s" % (judge.header, m.line, m.function or "table",
                                                             m.what, by, before, after))
            sys.stdout.flush()
    for _, future in queue:
        future.cancel()
    valid = counts["killed"] + counts["survived"]
    summary = ["%s: %d of %d mutants killed, %.1f %% (%d by a failure, %d by a crash, %d by a time limit)"
               % (judge.header, counts["killed"], valid, 100.0 * counts["killed"] / max(valid, 1),
                  how["failed"], how["crash"], how["hang"]),
               "not counted: %d do not compile, %d make the same code, %d are explained in tests/mutants.md"
               % (counts["invalid"], counts["same"], counts["explained"]),
               "seed %d, %d s" % (o.seed, time.monotonic() - began)]
    path = os.path.join(OUT, name + ".survivors")
    with open(path, "w", encoding="utf-8") as f:
        for m in sorted(survivors, key=lambda m: m.start):
            f.write("%s:%d %s (%s)\n    - %s\n    + %s\n" % (
                (judge.header, m.line, m.function or "table", m.what) + shown(judge.original, m)))
        f.write("\n".join(summary) + "\n")
    areas = collections.Counter(m.function or "table" for m in survivors)
    if areas:
        print("survivors by function: " + ", ".join("%s %d" % a for a in areas.most_common()))
    print("\n".join(summary))
    print("survivors are in %s" % os.path.relpath(path, TOP))


if __name__ == "__main__":
    main()
