#!/usr/bin/env python3
"""A TCP proxy that cuts connections, or makes a server one of an earlier release.
usage: dxup_proxy.py ADDR:PORT BYTES FIRST COUNT      connections FIRST .. FIRST + COUNT - 1, counted from 0, are reset once BYTES
                                                      came from the server
       dxup_proxy.py ADDR:PORT stops BYTES            once BYTES came from the server, over all connections, nothing more comes: they
                                                      stay open, as from a process that was stopped
       dxup_proxy.py ADDR:PORT streams                calls of the methods of docs/formats/sync.md reach the server as those of a
                                                      method that nobody knows: it sends streams and patches, as releases before

Prints "listening on ADDR:PORT"."""
import socket
import struct
import sys
import threading

host, port = sys.argv[1].rsplit(":", 1)
streams = sys.argv[2] == "streams"
stops = sys.argv[2] == "stops"
most, first, count = (0, 0, 0) if streams or stops else map(int, sys.argv[2:5])
budget = int(sys.argv[3]) if stops else 1 << 62
lock = threading.Lock()
CALL, EXTRA, SYNC, OBJECTS, UNKNOWN = 0x30, 0x20, 4, 5, 250


def copy(source, sink, left):
    try:
        while left > 0:
            data = source.recv(min(65536, left))
            if not data:
                break
            sink.sendall(data)
            left -= len(data)
    except OSError:
        pass
    for s in (source, sink):
        if left <= 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()


def copy_until_stopped(source, sink):
    global budget
    try:
        while data := source.recv(65536):
            with lock:
                now, budget = data[:budget], budget - min(budget, len(data))
            sink.sendall(now)
            if not budget:
                threading.Event().wait()
    except OSError:
        pass


def copy_calls(source, sink):
    """Frame by frame, with another method in some."""
    stream = source.makefile("rb")
    try:
        while True:
            head = stream.read(8)
            if len(head) < 8:
                break
            body = bytearray(stream.read(struct.unpack("<I", head[4:])[0]))
            at = 2 + struct.unpack_from("<H", body)[0] if head[1] & EXTRA else 0
            if head[0] == CALL and body[at] in (SYNC, OBJECTS):
                body[at] = UNKNOWN
            sink.sendall(head + body)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", 0), backlog=300)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
number = 0
while True:
    client, _ = listener.accept()
    server = socket.create_connection((host, int(port)))
    cut = first <= number < first + count
    number += 1
    if stops:
        threading.Thread(target=copy_until_stopped, args=(server, client), daemon=True).start()
        threading.Thread(target=copy, args=(client, server, 1 << 62), daemon=True).start()
        continue
    threading.Thread(target=copy, args=(server, client, most if cut else 1 << 62), daemon=True).start()
    back = (copy_calls, (client, server)) if streams else (copy, (client, server, 1 << 62))
    threading.Thread(target=back[0], args=back[1], daemon=True).start()
