#!/usr/bin/env python3
"""usage: tables.py switches HEADER: is each figure of the table SWITCHES in the header's head within 2 % of what the compiler makes?
          tables.py uses HEADER FILE: the same of its table USES and what size.py has printed into FILE (2 %, or 8 bytes)
          tables.py names HEADER: the switches of the table
Says what is not. A switch saves the difference between two objects for a Cortex-M0 that have all functions."""
import concurrent.futures, os, re, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CC = "arm-none-eabi-gcc -std=c99 -Os -DNDEBUG -mcpu=cortex-m0 -mthumb -ffreestanding -DDX_IMPLEMENTATION -I.".split()
MACHINES = [0, 1, 3] # of size.py: Cortex-M0, Cortex-M3, rv32imac


def section(header, title):
    """Lines of a table in the head comment: those that are indented by eight,
    after the title."""
    lines, inside = [], False
    for line in open(header):
        if "*/" in line:
            break
        if re.match(rf"    {title} ", line):
            inside = True
        elif inside and re.match(r"    ?\S|$", line.rstrip()):
            break
        elif inside and re.match(r"        \S", line):
            lines.append(line.strip())
    return lines


def figures(header):
    """Switch (or "in all", "together") and its numbers, None for a "-"; the first column and that with NO_CREATE."""
    found = {}
    for line in section(header, "SWITCHES"):
        match = re.match(r"(in all|together|DX_\w+)\b.*?((?: +(?:[\d,]+|-))+)$", line)
        if not match:
            sys.exit(f"not a line of the table: {line}")
        found[match[1]] = [None if n == "-" else int(n.replace(",", "")) for n in match[2].split()]
    return found


def code_of(header, switches):
    with tempfile.TemporaryDirectory() as folder:
        made = f"{folder}/o.o"
        done = subprocess.run([*CC, *(f"-D{s}" for s in switches), f'-DHEADER="{header}"', "-c", f"{HERE}/../compile/one.c", "-o", made],
                              stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{' '.join(switches)}: {done.stderr.decode()}")
        return int(subprocess.check_output(["arm-none-eabi-size", made]).decode().splitlines()[1].split()[0])


def switches(header):
    table = figures(header)
    if "in all" not in table or "together" not in table or len(table) < 3:
        sys.exit("the table lacks lines")
    names = [n for n in table if n.startswith("DX_")]
    parts = [n for n in names if "_NO_" in n]
    create = [n for n in names if n.endswith("_NO_CREATE")]
    wanted = [] # name, its number, switches before and after; before None: a size
    for name, numbers in table.items():
        for column, number in enumerate(numbers):
            base = create if column else []
            after = {"in all": [], "together": parts}.get(name, [name])
            if number is not None:
                wanted.append((name, number, None if name == "in all" else frozenset(base), frozenset(base + after)))
    sets = sorted({s for w in wanted for s in w[2:] if s is not None}, key=sorted)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sizes = dict(zip(sets, pool.map(lambda s: code_of(header, sorted(s)), sets)))
    for name, number, before, after in wanted:
        got = sizes[after] if before is None else sizes[before] - sizes[after]
        if abs(got - number) * 50 > got:
            print(f"{name}: {got} bytes, the table says {number}")


def uses(header, path):
    made = {}
    for line in open(path):
        match = re.match(rf"{re.escape(header)}: (.*?)((?: +\d+){{12}})$", line.rstrip())
        if match:
            n = [int(x) for x in match[2].split()]
            made[match[1]] = [x for k in MACHINES for x in (n[3 * k], n[3 * k + 1] + n[3 * k + 2])]
    said = {}
    for line in section(header, "USES"):
        match = re.match(r"(.*?)((?: +[\d,]+){6})$", line)
        if match:
            said[match[1].strip()] = [int(x.replace(",", "")) for x in match[2].split()]
    if not made:
        print("no figures")
    for use in sorted(set(made) | set(said)):
        if use not in made or use not in said:
            print(f"{use}: {'not measured' if use in said else 'not in the table'}")
        else:
            for is_, says in zip(made[use], said[use]):
                if abs(is_ - says) > max(8, is_ // 50):
                    print(f"{use}: {is_}, the table says {says}")


if sys.argv[1] == "names":
    print("\n".join(n for n in figures(sys.argv[2]) if n.startswith("DX_")))
elif sys.argv[1] == "switches":
    switches(sys.argv[2])
else:
    uses(sys.argv[2], sys.argv[3])
