#!/usr/bin/env python3
"""A sender, a delaying proxy and a receiver on this machine, and a table of what travelled: `make run-dxwan`.

Each connection through the proxy has a round trip of 100 ms and at most 750 kB/s, which is about what one TCP connection reaches
there when one packet in a few hundred is lost; now and then one is cut. The file arrives over more and more connections.
usage: demo.py DXWAN"""
import asyncio, json, os, random, subprocess, sys, tempfile

DELAY_S, RATE, PIECE = 0.05, 750000, 32768
dxwan = os.path.abspath(sys.argv[1])


class Proxy:
    def __init__(self, cut):
        self.cut, self.bytes, self.cuts, self.dice = cut, 0, 0, random.Random(1)

    async def pump(self, reader, writer, both, left):
        """Deliver each piece DELAY_S after it came, at RATE; reset both connections after `left` bytes."""
        loop, queue, due = asyncio.get_running_loop(), asyncio.Queue(64), 0

        async def deliver():
            nonlocal left
            while (piece := await queue.get())[1]:
                await asyncio.sleep(max(0, piece[0] - loop.time()))
                self.bytes += len(piece[1])
                left -= len(piece[1])
                if left < 0:
                    self.cuts += 1
                    return [w.transport.abort() for w in both]
                writer.write(piece[1])
            writer.close()

        delivery = asyncio.ensure_future(deliver())
        try:
            while data := await reader.read(PIECE):
                due = max(due + len(data) / RATE, loop.time())
                await queue.put((due + DELAY_S, data))
                await asyncio.sleep(max(0, due - loop.time()))
        except OSError:
            pass
        if not delivery.done():
            await queue.put((0, b""))
        await delivery

    async def serve(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        left = self.dice.randrange(150000, 500000) if self.cut else 1 << 60
        both = (writer, far_writer)
        await asyncio.gather(self.pump(reader, far_writer, both, left), self.pump(far_reader, writer, both, 1 << 60))


async def transfer(streams, cut):
    proxy = Proxy(cut)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    receiver = await asyncio.create_subprocess_exec(dxwan, "recv", "127.0.0.1:0", "--out", "arrived", "--json", **quiet)
    proxy.target = int((await receiver.stdout.readline()).rsplit(b":", 1)[1])
    address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    sender = await asyncio.create_subprocess_exec(dxwan, "send", "file", address, "--streams", str(streams), "--json", **quiet)
    out, _ = await sender.communicate()
    await receiver.communicate()
    server.close()
    if sender.returncode or receiver.returncode:
        sys.exit("demo: status %d and %d" % (sender.returncode, receiver.returncode))
    with open("file", "rb") as a, open("arrived", "rb") as b:
        if a.read() != b.read():
            sys.exit("demo: the file that arrived is another one")
    s = json.loads(out)
    print("%11d  %7.1f  %6.2f  %11s  %12s  %8d  %4d" % (streams, s["milliseconds"] / 1000, s["size"] / 1000 / s["milliseconds"],
          format(s["sent_bytes"], ","), format(proxy.bytes, ","), s["chunks_resent"], proxy.cuts), flush=True)


async def main():
    size = 6000000
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        with open("file", "wb") as f:
            f.write(random.Random(1).randbytes(size))
        print("%s bytes, round trip 100 ms, at most 0.75 MB/s for each connection" % format(size, ","))
        print("connections  seconds    MB/s   bytes sent  over the net    resent  cuts")
        for streams, cut in ((1, False), (4, False), (16, False), (16, True)):
            await transfer(streams, cut)
        os.chdir("/")


asyncio.run(main())
