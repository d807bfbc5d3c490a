#!/usr/bin/env python3
"""Code, static memory and worst-case stack of small programs that use a header: the
difference from an empty one. -Os, without unused functions; the stack along the
longest path of calls (calls through pointers, which are the caller's functions, not
counted)."""
import functools, os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MACHINES = [("Cortex-M0", "arm-none-eabi", "-mcpu=cortex-m0 -mthumb"), ("Cortex-M3", "arm-none-eabi", "-mcpu=cortex-m3 -mthumb"),
            ("Cortex-M4", "arm-none-eabi", "-mcpu=cortex-m4 -mthumb"), ("rv32imac", "riscv64-unknown-elf", "-march=rv32imac -mabi=ilp32")]
USES = [("hbtp", 1, "parse, route, reply"), ("hbtp", 2, "session, streams, hooks"), ("teleport", 1, "flat record"), ("teleport", 2, "list of records"),
        ("patch", 1, "blocks in place"), ("patch", 2, "one slot of flash"), ("patch", 5, "same, small"), ("patch", 3, "any patch, streamed"), ("patch", 4, "any patch but deltas of streams"), ("cas", 1, "BLAKE3"),
        ("cas", 2, "store, verified reads"), ("nor", 1, "from flash: get, verify"), ("nor", 2, "by name"),
        ("nor", 3, "put, commit, collect")]
FLAGS = "-std=c11 -Os -DNDEBUG -ffreestanding -nostdlib -fno-tree-loop-distribute-patterns -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-e,start"


def stack_of(folder, entry):
    """Bytes along the longest path of calls from the function."""
    size, calls = {}, {}
    for name in os.listdir(folder):
        if not name.endswith(".ci"):
            continue
        text = open(os.path.join(folder, name)).read()
        for title, label in re.findall(r'node: \{ title: "([^"]*)" label: "([^"]*)"', text):
            found = re.search(r"(\d+) bytes", label)
            if found:
                size[title.split(":")[-1]] = int(found.group(1))
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"', text):
            calls.setdefault(source.split(":")[-1], set()).add(target.split(":")[-1])

    def deepest(name, above):
        if name in above:
            return 0
        return size.get(name, 0) + max((deepest(n, above | {name}) for n in calls.get(name, ())), default=0)

    return deepest(entry, frozenset())


@functools.lru_cache(maxsize=None) # a header's empty program is compared with each of its uses
def build(tool, flags, header, use):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([f"{tool}-gcc", *FLAGS.split(), *flags.split(), f"-DUSE={use}", "-fcallgraph-info=su", f"{HERE}/{header}.c",
                               f"{HERE}/start.c", "-lgcc", "-o", "program"], cwd=folder, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{header} {use}: {done.stderr.decode()}")
        text, data, bss = map(int, subprocess.check_output([f"{tool}-size", "program"], cwd=folder).decode().splitlines()[1].split()[:3])
        return text, data + bss, stack_of(folder, "main")


def main():
    machines = [m for m in MACHINES if shutil.which(f"{m[1]}-gcc")]
    if not machines:
        print("skip size on microcontrollers: no arm-none-eabi-gcc, no riscv64-unknown-elf-gcc")
        return
    if len(sys.argv) > 1: # HEADER USE: for each Cortex-M, code, static memory, stack
        for name, tool, flags in machines:
            base, it = build(tool, flags, sys.argv[1], 0), build(tool, flags, sys.argv[1], sys.argv[2])
            if name.startswith("Cortex"):
                print(name, it[0] - base[0], it[1] - base[1], it[2])
        return
    print(f"{'code, static memory, worst stack':40}" + "".join(f"{name:>22}" for name, _, _ in machines), flush=True)
    for header, use, what in USES:
        row = f"dx_{header}.h: {what}".ljust(40)
        for name, tool, flags in machines:
            base, it = build(tool, flags, header, 0), build(tool, flags, header, use)
            row += f"{it[0] - base[0]:9} {it[1] - base[1]:6} {it[2]:5}"
        print(row, flush=True)


main()
