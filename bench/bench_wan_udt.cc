/* A file over one connection of UDT, for bench_wan.py: libudt-dev has the library, and no package a program that copies files.
   usage: bench_wan_udt recv PORT FILE; bench_wan_udt send ADDRESS PORT FILE */
#include <arpa/inet.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sys/stat.h>
#include <udt/udt.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, UDT::getlasterror().getErrorMessage());
    return 1;
}

static sockaddr_in address_of(const char *host, const char *port)
{
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<uint16_t>(atoi(port)));
    inet_pton(AF_INET, host, &at.sin_addr);
    return at;
}

/* Buffers and the flow window: two bandwidth-delay products of 1 Gbit/s and 300 ms. */
static UDTSOCKET open_socket()
{
    const UDTSOCKET s = UDT::socket(AF_INET, SOCK_STREAM, 0);
    int packets = 60000, bytes = 80000000, datagrams = 4000000;
    UDT::setsockopt(s, 0, UDT_FC, &packets, sizeof packets);
    UDT::setsockopt(s, 0, UDT_SNDBUF, &bytes, sizeof bytes);
    UDT::setsockopt(s, 0, UDT_RCVBUF, &bytes, sizeof bytes);
    UDT::setsockopt(s, 0, UDP_SNDBUF, &datagrams, sizeof datagrams);
    UDT::setsockopt(s, 0, UDP_RCVBUF, &datagrams, sizeof datagrams);
    return s;
}

static int receive(const char *port, const char *path)
{
    const sockaddr_in at = address_of("0.0.0.0", port);
    const UDTSOCKET listener = open_socket();
    if (UDT::bind(listener, reinterpret_cast<const sockaddr *>(&at), sizeof at) || UDT::listen(listener, 1)) return fail("listen");
    sockaddr_in from;
    int from_size = sizeof from;
    const UDTSOCKET s = UDT::accept(listener, reinterpret_cast<sockaddr *>(&from), &from_size);
    if (s == UDT::INVALID_SOCK) return fail("accept");
    int64_t size = 0;
    for (int done = 0; done < static_cast<int>(sizeof size);) {
        const int got = UDT::recv(s, reinterpret_cast<char *>(&size) + done, static_cast<int>(sizeof size) - done, 0);
        if (got <= 0) return fail("recv");
        done += got;
    }
    std::fstream file(path, std::ios::out | std::ios::binary | std::ios::trunc);
    int64_t offset = 0;
    if (UDT::recvfile(s, file, offset, size) != size) return fail("recvfile");
    file.close();
    return file.fail();
}

static int send_file(const char *host, const char *port, const char *path)
{
    const sockaddr_in at = address_of(host, port);
    const UDTSOCKET s = open_socket();
    struct stat info;
    if (stat(path, &info)) return 1;
    if (UDT::connect(s, reinterpret_cast<const sockaddr *>(&at), sizeof at)) return fail("connect");
    const int64_t size = info.st_size;
    if (UDT::send(s, reinterpret_cast<const char *>(&size), sizeof size, 0) != sizeof size) return fail("send");
    std::fstream file(path, std::ios::in | std::ios::binary);
    int64_t offset = 0;
    if (UDT::sendfile(s, file, offset, size) != size) return fail("sendfile");
    return UDT::close(s) ? fail("close") : 0;
}

int main(int count, char **words)
{
    if (count == 4 && !strcmp(words[1], "recv")) return receive(words[2], words[3]);
    if (count == 5 && !strcmp(words[1], "send")) return send_file(words[2], words[3], words[4]);
    fprintf(stderr, "usage: bench_wan_udt recv PORT FILE | send ADDRESS PORT FILE\n");
    return 1;
}
