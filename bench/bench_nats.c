/*  Requests through a NATS server, as its protocol is: the peer of bench_link.c.

        bench_nats answer ADDRESS PORT                                    subscribe, and send back what comes
        bench_nats call ADDRESS PORT CONNECTIONS DEPTH SECONDS SIZE       closed loop, as bench_link call
    Prints one line: calls a second, p50 and p99 in microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, DEPTH_MAX = 1024, SIZE_MOST = 4096, ROOM = 1 << 22, TIMES = 1 << 22 };
static const double warm = 0.1; /* seconds before anything is counted */

typedef struct connection {
    int      fd;
    char    *in, *out;
    size_t   have, owe;
    uint64_t due[DEPTH_MAX]; /* when the calls that wait were sent; answers come in their order */
    uint32_t first, waiting;
} connection;

static connection connections[CONNECTIONS_MAX];
static char       payload[SIZE_MOST];
static uint32_t   took[TIMES]; /* ns; what is beyond is counted, not kept */
static uint64_t   answered, began;
static unsigned   size = 8;

static void die(const char *what)
{
    fprintf(stderr, "bench_nats: %s\n", what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void put(connection *k, const void *bytes, size_t count)
{
    if (count > ROOM - k->owe) die("the server does not read");
    memcpy(k->out + k->owe, bytes, count);
    k->owe += count;
}

static void publish(connection *k, const char *subject, const char *reply, const char *bytes, unsigned count)
{
    char line[256];
    put(k, line, (size_t)snprintf(line, sizeof line, "PUB %s %s %u\r\n", subject, reply, count));
    put(k, bytes, count);
    put(k, "\r\n", 2);
}

static void dial(connection *k, const char *address, const char *port, const char *subject)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    const int one = 1;
    char line[128];
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    k->in = malloc(ROOM);
    k->out = malloc(ROOM);
    if (!k->in || !k->out || inet_pton(AF_INET, address, &a.sin_addr) != 1) die("the address");
    if (connect(k->fd, (struct sockaddr *)&a, sizeof a)) die("cannot connect");
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    put(k, line, (size_t)snprintf(line, sizeof line, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\n", subject));
}

static void ask(connection *k)
{
    char reply[32];
    snprintf(reply, sizeof reply, "i.%u", (unsigned)(k - connections));
    k->due[(k->first + k->waiting++) % DEPTH_MAX] = now();
    publish(k, "echo", reply, payload, size);
}

static void on_message(connection *k, const char *reply, const char *bytes, unsigned count)
{
    uint64_t at;
    if (*reply) { /* we answer */
        publish(k, reply, "", bytes, count);
        return;
    }
    if (!k->waiting || count != size) die("an answer to nothing");
    at = now();
    if (at - began > (uint64_t)(warm * 1e9)) {
        if (answered < TIMES) took[answered] = (uint32_t)(at - k->due[k->first]);
        answered++;
    }
    k->first = (k->first + 1) % DEPTH_MAX;
    k->waiting--;
    ask(k);
}

/* One line, and the message that follows it. Returns their size; 0: not here yet. */
static size_t next(connection *k, char *at, size_t left)
{
    char *end = memmem(at, left, "\r\n", 2);
    char words[4][64] = {{0}};
    size_t line;
    unsigned count;
    int n;
    if (!end) return 0;
    line = (size_t)(end - at) + 2;
    *end = 0;
    n = sscanf(at, "MSG %63s %63s %63s %63s", words[0], words[1], words[2], words[3]);
    if (n < 3) {
        if (!strcmp(at, "PING")) put(k, "PONG\r\n", 6);
        if (!strncmp(at, "-ERR", 4)) die(at);
        return line;
    }
    count = (unsigned)atoi(words[n - 1]);
    if (left < line + count + 2) {
        *end = '\r';
        return 0;
    }
    on_message(k, n == 4 ? words[2] : "", at + line, count);
    return line + count + 2;
}

static void take(connection *k)
{
    const ssize_t n = recv(k->fd, k->in + k->have, ROOM - k->have, MSG_DONTWAIT);
    size_t used = 0, one;
    if (n == 0) die("the server has closed");
    if (n < 0) return;
    k->have += (size_t)n;
    while ((one = next(k, k->in + used, k->have - used)) > 0) used += one;
    memmove(k->in, k->in + used, k->have - used);
    k->have -= used;
}

static void give(connection *k)
{
    const ssize_t n = k->owe ? send(k->fd, k->out, k->owe, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n <= 0) return;
    memmove(k->out, k->out + n, k->owe - (size_t)n);
    k->owe -= (size_t)n;
}

static void run(uint32_t count, uint64_t end)
{
    struct pollfd p[CONNECTIONS_MAX];
    while (now() < end) {
        for (uint32_t i = 0; i < count; i++) {
            give(&connections[i]);
            p[i].fd = connections[i].fd;
            p[i].events = (short)(connections[i].owe ? POLLIN | POLLOUT : POLLIN);
        }
        if (poll(p, count, 100) < 0) die("poll");
        for (uint32_t i = 0; i < count; i++)
            if (p[i].revents & (POLLIN | POLLERR | POLLHUP)) take(&connections[i]);
    }
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    const bool answers = count == 4 && !strcmp(words[1], "answer");
    uint32_t many, depth;
    uint64_t kept;
    double seconds;
    if (answers) {
        dial(&connections[0], words[2], words[3], "echo");
        run(1, UINT64_MAX);
    }
    if (count != 8 || strcmp(words[1], "call")) die("answer ADDRESS PORT | call ADDRESS PORT CONNECTIONS DEPTH SECONDS SIZE");
    many = (uint32_t)atoi(words[4]);
    depth = (uint32_t)atoi(words[5]);
    seconds = atof(words[6]);
    size = (unsigned)atoi(words[7]);
    if (!many || many > CONNECTIONS_MAX || !depth || depth > DEPTH_MAX || size > SIZE_MOST) die("out of range");
    for (uint32_t i = 0; i < many; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "i.%u", i);
        dial(&connections[i], words[2], words[3], subject);
    }
    began = now();
    for (uint32_t i = 0; i < many; i++)
        for (uint32_t d = 0; d < depth; d++) ask(&connections[i]);
    run(many, began + (uint64_t)((seconds + warm) * 1e9));
    kept = answered < TIMES ? answered : TIMES;
    if (!kept) die("nobody answers");
    qsort(took, kept, sizeof *took, compare);
    printf("calls/s %.0f p50 %.1f p99 %.1f us\n", (double)answered / seconds,
           took[kept / 2] / 1e3, took[kept - 1 - kept / 100] / 1e3);
    return 0;
}
