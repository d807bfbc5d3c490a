#!/usr/bin/env python3
"""The updater of examples/firmware on two emulated boards: an update over the UART, bad input, and power cuts at random moments.
usage: firmware.py [mps2|virt]      DX_KILLS=n: number of interrupted updates; DX_TEST_SEED=n"""
import hashlib, os, random, re, shutil, signal, socket, struct, subprocess, sys, time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
WORK = os.path.join(TOP, "build/firmware")
WANTED = sys.argv[1:]
KILLS = int(os.environ.get("DX_KILLS", "50"))
SEED = int(os.environ.get("DX_TEST_SEED", "1"))
counts = {"passed": 0, "failed": 0, "skipped": 0}

BOARDS = {
    "mps2": dict(name="Cortex-M3 (mps2-an385)", slot=512 << 10, flash=768 << 10, page=4096, record=764 << 10,
                 needs=["arm-none-eabi-gcc", "qemu-system-arm"],
                 run=["qemu-system-arm", "-M", "mps2-an385", "-semihosting-config", "enable=on,target=native", "-kernel", "updater.elf"]),
    "virt": dict(name="rv32imac (virt, NOR flash)", slot=1 << 20, flash=32 << 20, page=256 << 10, record=1280 << 10,
                 needs=["riscv64-unknown-elf-gcc", "qemu-system-riscv32"],
                 run=["qemu-system-riscv32", "-M", "virt", "-bios", "updater.elf", "-drive", "if=pflash,unit=1,format=raw,file=nor.img"]),
}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Board:
    """One board with its flash in a file; kill() is the power cut."""

    def __init__(self, kind):
        self.__dict__.update(BOARDS[kind])
        self.folder = os.path.join(WORK, kind)
        self.app = {n: open(f"{self.folder}/app-{n}.bin", "rb").read() for n in (1, 2)}
        self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def flash_content(self, size, offset=0):
        with open(self.path("nor.img"), "rb") as f:
            f.seek(offset)
            return f.read(size)

    def wait_for(self, offset, word):
        """Until this word is in flash, or the board is idle."""
        begin = time.time()
        while self.flash_content(4, offset) != word and time.time() - begin < 600:
            time.sleep(0.001)
        return time.time() - begin

    def fill(self, app):
        with open(self.path("nor.img"), "wb") as f:
            f.write(app.ljust(self.record + self.page, b"\xff"))
            f.truncate(self.flash)

    def start(self, program="updater.elf", wait=300):
        if os.path.exists(self.path("uart.sock")):
            os.remove(self.path("uart.sock"))
        command = [program if a == "updater.elf" else a for a in self.run] + ["-display", "none", "-monitor", "none", "-serial", "unix:uart.sock,server,nowait"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL)
        deadline = time.time() + wait
        while wait:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(os.path.relpath(self.path("uart.sock")))
                return
            except OSError:
                if time.time() > deadline or self.process.poll() is not None:
                    raise AssertionError("the emulator does not start")
                time.sleep(0.005)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def dxflash(self, *arguments):
        """(status, output)"""
        done = subprocess.run([f"{WORK}/dxflash", "uart.sock", *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1200)
        return done.returncode, done.stdout.decode()

    def version(self):
        """The application in the slot, according to the board and to its flash, which must be running."""
        status, text = self.dxflash("info")
        assert status == 0, text
        holds = [n for n in self.app if self.flash_content(len(self.app[n])) == self.app[n]]
        assert len(holds) == 1 and text.startswith(f"application {holds[0]}, {len(self.app[holds[0]])} bytes"), text
        status, said = self.dxflash("run")
        assert status == 0 and said.startswith(f"application {holds[0]} runs from flash"), said
        return holds[0], text


class Line:
    """Frames of docs/formats/hbtp.md, by hand."""

    def __init__(self, board):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(300)
        self.socket.connect(os.path.relpath(board.path("uart.sock")))

    def send(self, opcode, sequence, payload, flags=4):
        self.socket.sendall(struct.pack("<BBHI", opcode, flags, sequence, len(payload)) + payload)

    def chunk(self, sequence, offset, data, final, crc=None):
        head = struct.pack("<IIQ", 1, crc32c(data) if crc is None else crc, offset)
        self.send(0x51, sequence, head + data, 12 if final else 4)

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the line is closed"
            data += part
        return data

    def receive(self):
        opcode, _, sequence, length = struct.unpack("<BBHI", self.take(8))
        return opcode, sequence, self.take(length)

    def refused(self, sequence, status):
        opcode, got, payload = self.receive()
        assert (opcode, got, struct.unpack("<H", payload[:2])[0]) == (0x32, sequence, status), (opcode, got, payload)

    def answered(self, sequence):
        opcode, got, payload = self.receive()
        assert (opcode, got) == (0x31, sequence), (opcode, got, payload)
        return payload


def update(board):
    """An update, and the application before and after it."""
    board.fill(board.app[1])
    board.start()
    assert board.version()[0] == 1
    board.process.wait(300)
    board.start()
    status, text = board.dxflash("update", "app-2.bin", "app-1.bin")
    assert status == 0 and f"application 2, {len(board.app[2])} bytes" in text, text
    status, again = board.dxflash("update", "app-2.bin", "app-1.bin")
    assert status == 0 and "nothing to do" in again, again
    assert board.version()[0] == 2
    board.process.wait(300)
    return [line for line in text.splitlines() if line.startswith("patch")][0]


def strangers(board):
    """Noise, wrong requests, damaged or misplaced chunks, a patch for another base: all refused, nothing changed."""
    board.fill(board.app[1])
    board.start()
    line = Line(board)
    line.socket.sendall(b"\xff" * 300)
    line.refused(0, 400)
    line.send(0x30, 1, b"\x09")
    line.refused(1, 404)
    line.send(0x10, 2, b"")
    line.refused(2, 404)
    line.send(0x30, 3, b"\x02" + struct.pack("<I", 0xFFFFFFFF))
    line.refused(3, 413)
    line.chunk(4, 0, bytes(256), False)
    line.refused(4, 409)
    patch = bytearray(open(board.path("wrong.patch"), "rb").read())
    line.send(0x30, 5, b"\x02" + struct.pack("<I", len(patch)))
    line.answered(5)
    line.chunk(6, 0, bytes(patch[:256]), False, crc=1)
    line.refused(6, 400)
    line.chunk(7, 0, bytes(patch[:100]), False)
    line.refused(7, 409)
    line.chunk(8, 256, bytes(patch[256:512]), False)
    line.refused(8, 409)
    line.chunk(9, 2**64 - 256, bytes(256), False)
    line.refused(9, 400)
    line.chunk(9, 2**32, bytes(256), False)
    line.refused(9, 409)
    for turn in (1, 2):
        line.chunk(10, 0, bytes(patch[:256]), False)
        assert line.answered(10) == struct.pack("<I", 256), turn
    at = 256
    while at < len(patch):
        part = bytes(patch[at:at + 1024])
        at += len(part)
        line.chunk(11, at - len(part), part, at == len(patch))
        answer = line.answered(11)
    result = struct.unpack("<i", answer[12:16])[0]
    assert result == -37, f"result {result}, not EBASE"
    line.socket.close()
    board.kill()
    board.start()
    assert board.version()[1].rstrip().endswith("last patch: DX_PATCH_EBASE")
    board.process.wait(300)


def kills(board):
    """The power is cut during the update, every second time during patching, and again during the resume. The first round is not
    cut: it measures the durations."""
    dice = random.Random(SEED)
    ends, torn, cuts = {1: 0, 2: 0}, 0, 0
    number = -1
    while number < KILLS or (KILLS >= 20 and number < 10 * KILLS and not (torn and ends[2])):
        number += 1
        if number > KILLS: # the first round was a slow one: use earlier moments
            patching_s *= 0.9
        board.fill(board.app[1])
        board.start()
        client = subprocess.Popen([f"{WORK}/dxflash", "uart.sock", "update", "app-2.bin", "app-1.bin"], cwd=board.folder,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if number == 0:
            staging_s = board.wait_for(board.record, b"STGD")
            patching_s = board.wait_for(board.record + 256, b"DONE")
            client.wait()
            board.kill()
            continue
        if number % 2:
            board.wait_for(board.record, b"STGD")
        else:
            time.sleep(dice.random() * staging_s)
        while True:
            time.sleep(dice.random() * patching_s)
            board.kill()
            cuts += 1
            slot = board.flash_content(board.slot)
            torn += not any(slot.startswith(board.app[n]) for n in board.app)
            board.start()
            if dice.random() < 0.6:
                break
        client.wait()
        ends[board.version()[0]] += 1
        board.process.wait(300)
    assert KILLS < 20 or (torn and ends[2]), "no cut hit the patching: the moments are badly chosen"
    return f"{cuts} cuts, {torn} of them left a slot that was neither; in the end {ends[1]} old, {ends[2]} new images, 0 others"


def set_frame(sequence, name, value):
    return struct.pack("<BBHIBB", 0x30, 4, sequence, 2 + len(name) + len(value), 1, len(name)) + name + value


def awaken(line):
    """Until the board answers: bytes sent before its UART is set up are lost, and the rest may be no frame."""
    line.socket.settimeout(2)
    for sequence in range(1000, 1150):
        try:
            line.send(0x30, sequence, b"\2\6starts")
            while True:
                opcode, got, _ = line.receive()
                if (opcode, got) == (0x31, sequence):
                    line.socket.settimeout(300)
                    return
                if got == 0:
                    break
        except TimeoutError:
            pass
    raise AssertionError("the board does not answer")


def setting(line, sequence, name):
    """Its value, or None."""
    line.send(0x30, sequence, bytes([2, len(name)]) + name)
    opcode, got, payload = line.receive()
    assert got == sequence and (opcode == 0x31 or payload[:2] == b"\x94\x01"), (opcode, got, payload)
    return payload if opcode == 0x31 else None


def settings_kept(board):
    """Settings are set one after the other, with power cuts at any moment, also while the store moves blocks. After each cut,
    answered settings are there, and the one in progress may be; nothing is damaged; and wear is spread evenly over the blocks."""
    dice = random.Random(SEED)
    size = sections(board.path("settings.elf"))[".text"]
    assert size <= 20 * 1024, f"{size} bytes of code"
    names = [b"name %d" % k for k in range(12)]
    kept, starts, cuts, sets, half_s = {}, 0, 0, 0, 0.02
    board.fill(b"")
    while cuts < KILLS * 2 // 5:
        board.start("settings.elf")
        line = Line(board)
        awaken(line)
        for name in names:
            value = setting(line, 1, name)
            assert value in kept.get(name, [None]), (name, value, kept.get(name))
            kept[name] = [value]
        count = struct.unpack("<I", setting(line, 2, b"starts"))[0]
        assert starts < count, (starts, count)
        starts = count
        line.send(0x30, 3, b"\3")
        damaged, collections, most, mean, _ = struct.unpack("<5I", line.answered(3))
        assert damaged == 0 and most * 100 <= mean + 500 + 100 * cuts, (damaged, most, mean)
        for bad, status in ((b"", 400), (b"\1", 400), (b"\1\0", 400), (b"\1\x21" + bytes(40), 400), (b"\1\5abc", 400), (b"\7\1a", 404)):
            line.send(0x30, 4, bad)
            line.refused(4, status)
        until = time.monotonic() + half_s * dice.random() * (1 if cuts % 4 else 10)
        sequence = 10
        while time.monotonic() < until:
            name, value = dice.choice(names), dice.randbytes(dice.randrange(512 if cuts % 2 else 60))
            kept[name].append(value)
            line.socket.sendall(set_frame(sequence, name, value))
            if time.monotonic() >= until:
                break # a cut during the operation
            line.answered(sequence)
            kept[name] = [value]
            sequence += 1
            sets += 1
        if dice.random() < 0.5:
            time.sleep(dice.random() * 0.003)
        line.socket.close()
        board.kill()
        cuts += 1
        if dice.random() < 0.3: # once more during start-up
            board.start("settings.elf", 0)
            time.sleep(dice.random() * 0.05)
            board.kill()
            cuts += 1
    assert sets > cuts, "too few settings: the moments are badly chosen"
    return f"{size} bytes of code; {cuts} cuts in {sets} settings and {collections} collections, a block was erased {most} times at most, {mean / 100} in the mean"


def sections(path):
    """The bytes of each section of a program."""
    lines = subprocess.run(["size", "-A", path], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    return {fields[0]: int(fields[1]) for fields in map(str.split, lines) if len(fields) == 3 and fields[0][0] == "."}


def sizes_shown(board):
    """README.md's figures for this board: memory to the byte, code within 2 %, or 10 % with another compiler than the one it
    names."""
    with open(f"{TOP}/examples/firmware/README.md") as f:
        text = f.read()
    compiler = int(re.search(r"^## Size \(gcc (\d+),", text, re.M)[1])
    here = int(subprocess.run([board.needs[0], "-dumpversion"], stdout=subprocess.PIPE, check=True).stdout.split(b".")[0])
    row = board.name.split(" (")[0]
    said = []
    for program in ("updater", "settings"):
        match = re.search(rf"^\| {re.escape(row)} \| {program} \| ([\d,]+) bytes \| ([\d,]+) bytes \| ([\d,]+) bytes \|$", text, re.M)
        assert match, f"no row of {row}, {program}"
        code, memory, stack = (int(field.replace(",", "")) for field in match.groups())
        made = sections(board.path(f"{program}.elf"))
        is_now = f"| {row} | {program} | {made['.text']:,} bytes | {made['.bss']:,} bytes | {made['.stack']:,} bytes |"
        assert (memory, stack) == (made[".bss"], made[".stack"]), f"README.md shows {memory} and {stack}: {is_now}"
        assert abs(made[".text"] - code) * 100 <= code * (2 if here == compiler else 10), f"README.md shows {code}: {is_now}"
        said.append(f"{program} {made['.text']} bytes")
    with open(f"{TOP}/dx_patch.h") as f:
        models = int(re.search(r"^#define DX_PATCH_P_FLASH_MEMORY (\d+)u", f.read(), re.M)[1])
    assert f"{models:,} bytes of the RAM are the models" in text, f"the models take {models:,} bytes"
    return ", ".join(said)


def attempt(name, test, board):
    try:
        said = test(board)
        counts["passed"] += 1
        print(f"ok   {board.name}: {name}" + (f": {said}" if said else ""))
    except Exception as error:
        counts["failed"] += 1
        print(f"FAIL {board.name}: {name}: {error!r}")
    finally:
        if board.process and board.process.poll() is None:
            board.kill()


def main():
    os.makedirs(WORK, exist_ok=True)
    subprocess.check_call([os.environ.get("CC", "cc"), "-std=c11", "-O2", "-Wall", "-Wextra", "-D_POSIX_C_SOURCE=200809L", f"{TOP}/examples/firmware/dxflash.c",
                           "-o", f"{WORK}/dxflash.{os.getpid()}"])
    os.replace(f"{WORK}/dxflash.{os.getpid()}", f"{WORK}/dxflash")
    for kind, about in BOARDS.items():
        if WANTED and kind not in WANTED:
            continue
        missing = [tool for tool in about["needs"] if not shutil.which(tool)]
        if missing:
            counts["skipped"] += 1
            print(f"skip {about['name']}: no {' '.join(missing)}")
            continue
        subprocess.check_call([f"{TOP}/examples/firmware/build.sh", kind, f"{WORK}/{kind}"])
        board = Board(kind)
        with open(board.path("other.bin"), "wb") as f:
            f.write(random.Random(SEED).randbytes(2000) + board.app[2]) # so that its patch has several chunks
        subprocess.check_call([f"{WORK}/dxflash", "-", "patch", str(board.page), str(board.slot), board.path("app-2.bin"),
                               board.path("other.bin"), board.path("wrong.patch")])
        attempt("the sizes in README.md", sizes_shown, board)
        attempt("an update over the UART, and the application runs from flash", update, board)
        attempt("bad input is refused and changes nothing", strangers, board)
        attempt("the power is cut at random moments", kills, board)
        attempt("settings in flash, and the power is cut", settings_kept, board)
    print(".".join(["firmware"] + WANTED) + ": {passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0


sys.exit(main())
