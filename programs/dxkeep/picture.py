#!/usr/bin/env python3
"""Runs dxkeep for two and a half minutes while a program writes, and draws what status, timeline and log print as a terminal, for
README.md. Everything is as it was printed, except that the directory is called /srv/data.
usage: picture.py DXKEEP FILE.svg      (make dxkeep-picture)"""
import os, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "../dxup")]
import demo_picture

# A record of 3 KB in a file of 8 MB now and then, for 50 s often; and a line in a log.
PROGRAM = """import os, random, time
dice, begun = random.Random(1), time.monotonic()
while time.monotonic() < begun + 200:
    with open("data/table", "r+b") as f:
        f.seek(dice.randrange(2000) * 4096)
        f.write(dice.randbytes(3000))
    with open("data/log", "a") as f:
        f.write("%.3f\\n" % (time.monotonic() - begun))
    time.sleep(1.5 if 50 < time.monotonic() - begun < 100 else 6)
"""
COMMANDS = [["status", "store"], ["timeline", "store"], ["log", "store", "--limit", "4"]]
CHARACTER = 7.83  # its width in pixels at 13 px


def run(dxkeep, place):
    """(class, text) of all lines: commands and what they print, while the program runs."""
    os.makedirs("data")
    with open("data/table", "wb") as f:
        f.write(os.urandom(8 << 20))
    for i in range(3):
        with open("data/log", "a") as f:
            f.write("begin %d\n" % i)
        subprocess.run([dxkeep, "capture", "store", "data", "--quiet"], check=True)
    subprocess.run([dxkeep, "pin", "store", "latest", "--quiet"], check=True)
    program = subprocess.Popen([dxkeep, "run", "store", "data", "--quiet", "--", sys.executable, "-c", PROGRAM])
    try:
        time.sleep(150)
        lines = []
        for command in COMMANDS:
            said = subprocess.run([dxkeep, *command], stdout=subprocess.PIPE, check=True, text=True).stdout
            lines += [("", "")] if lines else []
            lines += [("p", "$ dxkeep " + " ".join(command))]
            lines += [("", line.replace(place, "/srv")) for line in said.splitlines()]
        return lines
    finally:
        program.terminate()
        program.wait()


def main():
    dxkeep, target = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory() as place:
        place = os.path.realpath(place)
        os.chdir(place)
        lines = run(dxkeep, place)
        os.chdir("/")
    width = 24 + int(CHARACTER * max(len(text) for _, text in lines) + 1)
    with open(target, "w") as f:
        f.write(demo_picture.draw("dxkeep status, timeline and log", lines, width))


main()
