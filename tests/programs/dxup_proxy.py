#!/usr/bin/env python3
"""A TCP proxy that cuts connections. usage: dxup_proxy.py ADDR:PORT BYTES FIRST COUNT

Prints "listening on ADDR:PORT". Connections FIRST .. FIRST + COUNT - 1, counted from 0, are reset once BYTES came from the server."""
import socket
import struct
import sys
import threading

host, port = sys.argv[1].rsplit(":", 1)
most, first, count = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


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


listener = socket.create_server(("127.0.0.1", 0), backlog=300)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
number = 0
while True:
    client, _ = listener.accept()
    server = socket.create_connection((host, int(port)))
    cut = first <= number < first + count
    number += 1
    threading.Thread(target=copy, args=(server, client, most if cut else 1 << 62), daemon=True).start()
    threading.Thread(target=copy, args=(client, server, 1 << 62), daemon=True).start()
