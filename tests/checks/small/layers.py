#!/usr/bin/env python3
"""usage: layers.py LAYER.h...          does SIZE in the layer's head say what the compilers make? Prints what does not.
          layers.py --print LAYER.h...  prints the lines as they should be, with the objects that the head names
The lines:   SIZE        code: x86-64 N, Cortex-M0 N; objects: dx_name N, ...
Bytes, gcc with -Os and NDEBUG, all functions, without the layers and cores below; sizes of objects with 64-bit pointers. Code may
differ by 3 %, objects may not. A machine whose compiler is not here is not checked."""
import os, platform, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
OPTIONS = {"dx_codec": "-DDX_CODEC_ZSTD -DDX_CODEC_SODIUM"} # whose libraries may be missing: then it is not checked
MACHINES = {"x86-64": "gcc -m64 -fno-pic", "Cortex-M0": "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb -ffreestanding"}


def can_compile(header):
    """Its libraries are here."""
    return not options(header) or compile_to("/dev/null", "gcc -fsyntax-only" + options(header), f'#include "{header}"\n') is None


def options(header):
    return " " + OPTIONS[name_of(header)] if name_of(header) in OPTIONS else ""


def name_of(header):
    return os.path.basename(header)[:-2]


def number(n):
    return f"{n:,}"


def compile_to(path, command, source):
    """The compiler's messages, or None."""
    done = subprocess.run([*command.split(), "-I" + TOP, "-x", "c", "-", "-o", path], input=source.encode(), stderr=subprocess.PIPE)
    return done.stderr.decode() if done.returncode else None


def code_of(header, machine):
    """Bytes of code and constants; None if that machine's compiler is not here, or the layer is not for it."""
    compiler = MACHINES[machine]
    tool = compiler.split()[0]
    if not shutil.which(tool) or (machine == "x86-64" and platform.machine() != "x86_64"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = f"{folder}/o.o"
        source = f'#define {name_of(header).upper()}_IMPLEMENTATION\n#include "{header}"\n'
        problem = compile_to(made, f"{compiler} -std=gnu99 -Os -DNDEBUG -w -c{options(header)}", source)
        if problem:
            sys.exit(f"{header}, {machine}: {problem}")
        size = "size" if tool == "gcc" else tool.replace("-gcc", "-size")
        return int(subprocess.check_output([size, made]).decode().splitlines()[1].split()[0])


def objects_of(header, names):
    """Each object's bytes."""
    if not names or not shutil.which("gcc") or platform.machine() != "x86_64":
        return {}
    with tempfile.TemporaryDirectory() as folder:
        lines = [f'#include "{header}"\n#include <stdio.h>\nint main(void) {{\n']
        lines += [f'printf("{n} %zu\\n", sizeof({n}));\n' for n in names]
        problem = compile_to(f"{folder}/it", f"gcc -m64 -std=gnu99 -w{options(header)}", "".join(lines) + "return 0; }\n")
        if problem:
            sys.exit(f"{header}: {problem}")
        text = subprocess.check_output([f"{folder}/it"]).decode()
    return {n: int(size) for n, size in (line.split() for line in text.splitlines())}


def said(header):
    """Figures of the head's SIZE: of machines, and of objects."""
    head = open(os.path.join(TOP, header)).read().split("*/")[0]
    match = re.search(r"^    SIZE {8}(.*(?:\n {16}.*)*)", head, re.M)
    if not match:
        return None
    text = re.sub(r"\s+", " ", match[1])
    code, _, objects = text.partition("objects:")
    value = lambda s: int(s.replace(",", ""))
    machines = {m: value(n) for m, n in re.findall(r"(x86-64|Cortex-M0) ([\d,]*\d)", code)}
    return machines, {n: value(v) for n, v in re.findall(r"(dx_\w+) ([\d,]*\d)", objects)}


def check(header):
    figures = said(header)
    if figures is None:
        return ["says nothing about SIZE"]
    if not can_compile(header):
        return []
    machines, objects = figures
    wrong = [] if "x86-64" in machines else ["SIZE has no figure for x86-64"]
    for machine, is_said in machines.items():
        made = code_of(header, machine)
        if made is not None and abs(made - is_said) * 100 > 3 * made:
            wrong.append(f"code on {machine}: {made} bytes, the head says {is_said}")
    for name, size in objects_of(header, objects).items():
        if size != objects[name]:
            wrong.append(f"{name}: {size} bytes, the head says {objects[name]}")
    return wrong


def show(header):
    machines, objects = said(header) or ({"x86-64": 0, "Cortex-M0": 0}, {})
    code = ", ".join(f"{m} {number(code_of(header, m) or 0)}" for m in machines)
    text = f"code: {code}"
    if objects:
        text += "; objects: " + ", ".join(f"{n} {number(s)}" for n, s in objects_of(header, objects).items())
    return text


if sys.argv[1:2] == ["--print"]:
    for h in sys.argv[2:]:
        print(f"{h}: {show(h)}")
else:
    for h in sys.argv[1:]:
        for line in check(h):
            print(line if len(sys.argv) == 2 else f"{h}: {line}")
