/* Measures for bench_bulk.sh: bytes over TCP by dx_hbtp.h's bulk transfer, and by a plain copy loop.

       bench_bulk HOST PORT HOW CONNECTIONS BYTES [CONGESTION] [RECEIVER]

   HOW: plain (one connection, send() and recv() in a loop), bulk, or auto (bulk, the controller decides how many).
   Both ends are here, in two processes; RECEIVER is a prefix for the receiving one ("ip netns exec b"), which then is this
   program once more. Prints: seconds from before the first connect until the sender knows that all has arrived, megabytes a
   second, connections at the end, resent chunks, congestion control in use. Status 0 only when the bytes are right. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#include "../dx_hbtp.h"
#include "../layers/dx_bulk.h"
#include "../layers/dx_bulk_net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

static uint8_t *object;
static uint64_t object_size;

static void fail(const char *what)
{
    fprintf(stderr, "bench_bulk: %s\n", what);
    exit(1);
}

static uint64_t word_at(uint64_t i) /* the object's bytes, eight at a time */
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return i ^ i >> 29;
}

static void allocate(bool fill)
{
    object = (uint8_t *)mmap(NULL, object_size + 8, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (object == MAP_FAILED) fail("out of memory");
    for (uint64_t i = 0; i < object_size / 8; i++) {
        uint64_t w = fill ? word_at(i) : 0; /* the pages are there before the clock starts */
        memcpy(object + i * 8, &w, 8);
    }
}

static bool is_right(void)
{
    for (uint64_t i = 0; i < object_size / 8; i++) {
        uint64_t w = word_at(i);
        if (memcmp(object + i * 8, &w, 8)) return false;
    }
    return true;
}

static const void *read_object(void *user, uint64_t offset, uint32_t size)
{
    (void)user, (void)size;
    return object + offset;
}

static int write_object(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size)
{
    (void)user;
    memcpy(object + offset, bytes, size);
    return 0;
}

static int accept_object(void *user, const dx_bulk_object *o)
{
    (void)user;
    return o->size == object_size ? 0 : 413;
}

/* >>plain -------------------------------------------------------------- */
static void plain_receive(int listener)
{
    struct pollfd p = {listener, POLLIN, 0};
    poll(&p, 1, -1);
    int fd = accept(listener, NULL, NULL);
    uint64_t at = 0;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    while (at < object_size) {
        uint64_t left = object_size - at;
        ssize_t got = recv(fd, object + at, left < 262144 ? left : 262144, 0);
        if (got <= 0) fail("recv");
        at += (uint64_t)got;
    }
    if (send(fd, "k", 1, 0) != 1) fail("send");
    close(fd);
}

static void plain_send(uint32_t host, uint16_t port, const char *congestion)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(host);
    a.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char byte;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)))
        fail("congestion control");
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) fail("connect");
    for (uint64_t at = 0; at < object_size;) {
        uint64_t left = object_size - at;
        ssize_t got = send(fd, object + at, left < 262144 ? left : 262144, MSG_NOSIGNAL);
        if (got <= 0) fail("send");
        at += (uint64_t)got;
    }
    if (recv(fd, &byte, 1, 0) != 1) fail("no acknowledgement");
    close(fd);
}

/* >>bulk --------------------------------------------------------------- */
static void bulk_receive_all(int listener)
{
    static dx_bulk_net n;
    dx_bulk_desc d;
    memset(&d, 0, sizeof d);
    d.write = write_object;
    d.accept = accept_object;
    d.connections_max = DX_BULK_NET_CONNECTIONS_MAX;
    n.listener = listener;
    n.target = object;
    if (dx_bulk_net_start(&n, &d, 0)) fail("init");
    while (n.bulk.state < DX_BULK_WHOLE) dx_bulk_net_turn(&n);
    if (n.bulk.state != DX_BULK_WHOLE) fail("the transfer failed");
    dx_bulk_verify(&n.bulk, true); /* is_right() compares every byte, when the clock has stopped */
    uint64_t until = dx_bulk_net_now_ns() + 30000000000u;
    dx_bulk_net_flush(&n);
    while (n.count && dx_bulk_net_now_ns() < until) dx_bulk_net_turn(&n); /* until the sender has heard it */
    dx_bulk_net_close(&n);
}

static uint32_t bulk_send_all(uint32_t host, uint16_t port, const char *congestion, uint32_t connections,
                              bool adaptive, uint64_t *resent, char used[16])
{
    static dx_bulk_net n;
    static dx_bulk_object o;
    dx_bulk_desc d;
    memset(&d, 0, sizeof d);
    o.size = object_size;
    o.transfer = 1;
    d.object = &o;
    d.read = read_object;
    d.connections_max = DX_BULK_NET_CONNECTIONS_MAX;
    n.listener = -1;
    n.host = host;
    n.port = port;
    n.options.congestion = congestion;
    n.adaptive = adaptive;
    if (dx_bulk_net_start(&n, &d, connections)) fail("init");
    dx_bulk_net_dial(&n, dx_bulk_net_now_ns());
    while (n.bulk.state < DX_BULK_DONE && !n.gave_up) dx_bulk_net_turn(&n);
    if (n.bulk.state != DX_BULK_DONE) fail("the transfer failed");
    *resent = n.bulk.metrics.chunks_resent;
    memcpy(used, n.congestion, 16);
    connections = n.count;
    if (getenv("BULK_METRICS"))
        for (int i = 0; i < 15; i++)
            fprintf(stderr, "%8.1f ms: %llu\n", 0.1 * (1 << i), (unsigned long long)n.bulk.metrics.latency[i]);
    dx_bulk_net_close(&n);
    return connections;
}

/* >>main --------------------------------------------------------------- */
static int receive(int listener, bool plain)
{
    allocate(false);
    if (write(1, "r", 1) != 1) return 1; /* ready */
    if (plain) plain_receive(listener);
    else bulk_receive_all(listener);
    return is_right() ? 0 : 3;
}

static pid_t start_receiver(char **argv, const char *prefix, int *ready)
{
    int ends[2];
    char command[1024];
    if (pipe(ends)) fail("pipe");
    snprintf(command, sizeof command, "exec %s %s %s %s %s-receive %s %s", prefix, argv[0], argv[1], argv[2], argv[3],
             argv[4], argv[5]);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *ready = ends[0];
    return child;
}

int main(int argc, char **argv)
{
    if (argc < 6) fail("usage: HOST PORT plain|bulk|auto CONNECTIONS BYTES [CONGESTION] [RECEIVER]");
    uint32_t host = ntohl(inet_addr(argv[1])), connections = (uint32_t)atoi(argv[4]);
    uint16_t port = (uint16_t)atoi(argv[2]);
    const char *congestion = argc > 6 && *argv[6] ? argv[6] : NULL, *how = argv[3];
    bool plain = !strncmp(how, "plain", 5);
    object_size = strtoull(argv[5], NULL, 10) / 8 * 8;
    signal(SIGPIPE, SIG_IGN);
    if (strstr(how, "-receive")) {
        int listener = dx_bulk_net_listen(host, &port);
        if (listener < 0) fail(strerror(errno));
        return receive(listener, plain);
    }
    int ready, status;
    char used[16] = "", byte;
    uint64_t resent = 0;
    pid_t child = start_receiver(argv, argc > 7 ? argv[7] : "", &ready);
    allocate(true);
    if (read(ready, &byte, 1) != 1) fail("the receiver does not start");
    uint64_t began = dx_bulk_net_now_ns();
    if (plain) plain_send(host, port, congestion);
    else connections = bulk_send_all(host, port, congestion, connections, !strcmp(how, "auto"), &resent, used);
    double seconds = (double)(dx_bulk_net_now_ns() - began) / 1e9;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        fail("the receiver has other bytes");
    printf("%.6f %.3f %u %llu %s\n", seconds, (double)object_size / 1e6 / seconds, connections,
           (unsigned long long)resent, plain ? congestion ? congestion : "-" : used);
    return 0;
}
