#!/usr/bin/env python3
"""The captures of docs/formats/hbtp.md, section 12, as packets that tshark reads with tests/readers/hbtp.lua: every frame has
the name and the number that its comment says, none is malformed. Frames are cut and joined on the way, as TCP does.
usage: hbtp_captures.py             checks; the last line counts
       hbtp_captures.py NAME FILE   writes a capture as a pcap file"""
import re, shutil, struct, subprocess, sys, tempfile

DOCUMENT, DISSECTOR = "docs/formats/hbtp.md", "tests/readers/hbtp.lua"
DEVICE, SERVER, PORT = 50000, 7000, 7000
LINKTYPE_IPV4 = 228


def captures():
    """name -> [(direction, bytes, name of the opcode, comment)]"""
    found = {}
    for name, body in re.findall(r"^```capture ([\w-]+)\n(.*?)^```", open(DOCUMENT).read(), re.M | re.S):
        frames, direction, text = [], None, ""
        for line in body.splitlines():
            if line[0] in "<>":
                direction, text = line[0], ""
            data, _, comment = line[1:].partition("#")
            text += data
            if comment:
                frames.append((direction, bytes.fromhex(text), re.match(r"\w+", comment.strip()).group(), comment.strip()))
        found[name] = frames
    return found


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data[:len(data) // 2 * 2])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet(forth, flags, mine, theirs, data=b""):
    ports = (DEVICE, SERVER) if forth else (SERVER, DEVICE)
    addresses = b"\x0a\0\0\1\x0a\0\0\2" if forth else b"\x0a\0\0\2\x0a\0\0\1"
    tcp = struct.pack("!HHIIBBHHH", *ports, mine, theirs, 5 << 4, flags, 65535, 0, 0) + data
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + addresses
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def pcap(frames, size):
    """The frames as segments of at most `size` bytes; consecutive ones in one direction are joined."""
    SYN, ACK, PSH = 2, 16, 8
    packets = [packet(True, SYN, 1000, 0), packet(False, SYN | ACK, 2000, 1001), packet(True, ACK, 1001, 2001)]
    at = {">": 1001, "<": 2001}
    other = {">": "<", "<": ">"}
    i = 0
    while i < len(frames):
        direction, data = frames[i][0], b""
        while i < len(frames) and frames[i][0] == direction:
            data += frames[i][1]
            i += 1
        for begin in range(0, len(data), size):
            piece = data[begin:begin + size]
            packets.append(packet(direction == ">", ACK | PSH, at[direction], at[other[direction]], piece))
            at[direction] += len(piece)
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, LINKTYPE_IPV4)
    for number, data in enumerate(packets):
        out += struct.pack("<IIII", 1700000000, number, len(data), len(data)) + data
    return out


def read(file):
    command = ["tshark", "-X", "lua_script:" + DISSECTOR, "-r", file, "-d", "tcp.port==%d,hbtp" % PORT, "-Y", "hbtp", "-T", "fields",
               "-E", "aggregator=;", "-e", "hbtp.opcode", "-e", "hbtp.sequence", "-e", "_ws.expert.message"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    found = []
    for line in done.stdout.splitlines():
        opcodes, sequences, experts = (line.split("\t") + ["", "", ""])[:3]
        found += list(zip([int(v, 16) for v in opcodes.split(";") if v], [int(v) for v in sequences.split(";") if v]))
        if "cannot be read" in experts:
            found.append("malformed")
    return found


def main():
    if len(sys.argv) == 3:
        open(sys.argv[2], "wb").write(pcap(captures()[sys.argv[1]], 1400))
        return 0
    if not shutil.which("tshark"):
        print("skip hbtp captures: tshark is not installed")
        print("hbtp_captures: 0 passed, 0 failed, 1 skipped")
        return 0
    passed = failed = 0
    for name, frames in captures().items():
        wanted = [(frame[0], struct.unpack_from("<H", frame, 2)[0]) for _, frame, _, _ in frames]
        for size in (1400, 7, 1):
            with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
                file.write(pcap(frames, size))
                file.flush()
                found = read(file.name)
            good = found == wanted
            passed, failed = passed + good, failed + (not good)
            print("%s %s in segments of %d" % ("ok  " if good else "FAIL", name, size) + ("" if good else ": %s, not %s" % (found, wanted)))
    print("hbtp_captures: %d passed, %d failed, 0 skipped" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
