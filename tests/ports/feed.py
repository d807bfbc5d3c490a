#!/usr/bin/env python3
"""examples/feed: a producer in C++17 and a consumer in C with a ring between them, either killed at random moments. DX_KILLS=n"""
import os, random, subprocess, sys, time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
WORK = os.path.join(TOP, "build/feed")
KILLS = int(os.environ.get("DX_KILLS", "200"))
COUNT = 2000000
dice = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))


def stream(COUNT):
    """The error, None: none; the kills of each side; the consumer's output."""
    path = f"{WORK}/feed.{os.getpid()}"
    subprocess.check_call([f"{WORK}/consumer", path, "create"])
    start = {side: lambda side=side: subprocess.Popen([f"{WORK}/{side}", path, str(COUNT)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
             for side in ("producer", "consumer")}
    running = {side: start[side]() for side in start}
    kills = {side: 0 for side in start}
    while sum(kills.values()) < KILLS:
        time.sleep(dice.random() * 0.004)
        side = dice.choice(list(running))
        if running[side].poll() is not None:
            break # everything was produced, or something failed
        running[side].kill()
        running[side].wait()
        kills[side] += 1
        running[side] = start[side]()
    try:
        said = running["consumer"].communicate(timeout=1200)[0].decode().strip()
        problems = running["producer"].communicate(timeout=300)[0].decode()
    finally:
        for process in running.values():
            process.kill()
        os.remove(path)
    wanted = f"{COUNT} ticks, sum {sum(800 + n % 1000 for n in range(COUNT))}"
    return said == wanted and not problems, kills, said, wanted + " " + problems


def main():
    subprocess.check_call([f"{TOP}/examples/feed/build.sh", WORK])
    for count in (COUNT, 4 * COUNT, 16 * COUNT): # if this script hardly got to run meanwhile, a longer one
        good, kills, said, wanted = stream(count)
        if not good or min(kills.values()) >= 10:
            break
    good = good and min(kills.values()) >= 10
    print(f"{'ok  ' if good else 'FAIL'} {kills['producer']} kills of the C++ producer, {kills['consumer']} of the C consumer: {said}, "
          f"{'each tick once and in order' if good else 'not ' + wanted}")
    print(f"feed: {int(good)} passed, {int(not good)} failed, 0 skipped")
    return not good


sys.exit(main())
