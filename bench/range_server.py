#!/usr/bin/env python3
"""Serves one file over HTTP with ranges, as zsync needs them, and counts what it sends.
usage: range_server.py FILE      prints its port; on SIGTERM prints the bytes of all requests and responses, and ends"""
import http.server, os, re, signal, sys

counted = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global counted
        path = sys.argv[1] if self.path.endswith(os.path.basename(sys.argv[1])) else None
        if not path:
            self.send_error(404)
            return
        data = open(path, "rb").read()
        ranges = [(int(a), min(int(b), len(data) - 1)) for a, b in re.findall(r"(\d+)-(\d+)", self.headers.get("Range", ""))]
        if not ranges:
            head, body = ["HTTP/1.1 200 OK"], data
        elif len(ranges) == 1:
            a, b = ranges[0]
            head, body = ["HTTP/1.1 206 Partial Content", "Content-Range: bytes %d-%d/%d" % (a, b, len(data))], data[a:b + 1]
        else:
            part = "\r\n--x\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
            body = b"".join((part % (a, b, len(data))).encode() + data[a:b + 1] for a, b in ranges) + b"\r\n--x--\r\n"
            head = ["HTTP/1.1 206 Partial Content", "Content-Type: multipart/byteranges; boundary=x"]
        text = ("\r\n".join(head) + "\r\nContent-Length: %d\r\n\r\n" % len(body)).encode()
        counted += len(self.requestline) + len(str(self.headers)) + len(text) + len(body)
        self.wfile.write(text + body)

    def log_message(self, *_):
        pass


def end(*_):
    print(counted, flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
