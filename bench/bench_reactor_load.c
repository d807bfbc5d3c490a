/*  Closed-loop load generator: N connections, D requests in flight on each, a latency histogram.

        bench_reactor_load ADDRESS:PORT KIND CONNECTIONS DEPTH SECONDS [option=value]...

    KIND      bytes     SIZE bytes out, the same SIZE bytes back
              hbtp      Ping with SIZE - 8 bytes of payload out, the Pong with the same sequence back
              http      GET / out, the answer with its Content-Length back
              redis     PING out, +PONG back
              memcached mn out, MN back
    options   size=8    bytes of a request (bytes, hbtp)
              spin=0    1: never sleep
              warm=0.1  seconds before anything is counted
              pid=0     the server's process: its CPU time is measured
              get=/     the path of http
    Prints one line: requests a second, p50, p99, p99.9 and the worst in microseconds, the server's CPU
    time per request in ns (0: not measured), bytes a second. Every byte that comes back is compared
    with what must come back (http: after the first answer, whose head says how long an answer is).
    As many requests as were answered are sent anew in one send().

        bench_reactor_load ADDRESS:PORT churn CONNECTIONS - SECONDS
            connect, one request of SIZE bytes, its answer, close; CONNECTIONS at a time
        bench_reactor_load ADDRESS:PORT bulk - - - bytes=1073741824
            that many bytes out and, echoed, back over one connection
        bench_reactor_load ADDRESS:PORT idle CONNECTIONS - - addresses=6
            open CONNECTIONS (from 127.0.0.1.. as source), one request on each, print "ready", wait for the
            end of stdin
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 4096, INPUT_SIZE = 1 << 20 };

typedef struct batch { /* requests that were sent together */
    uint64_t sent;
    uint32_t count;
} batch;

typedef struct connection {
    int       fd;
    uint64_t  sent, back;             /* bytes; both streams repeat with period DEPTH requests */
    uint32_t  owed;                   /* bytes of requests that a full socket has not taken */
    batch    *batches;                /* a ring of DEPTH_MAX */
    uint32_t  first, count;
} connection;

static struct {
    struct sockaddr_in address;
    const char *kind, *get;
    uint32_t connections, depth, size, addresses;
    double   seconds, warm;
    bool     spin;
    int      pid;
    uint64_t bytes;
} o = {.get = "/", .size = 8, .addresses = 6, .warm = 0.1, .bytes = (uint64_t)1 << 30};

/* Twice DEPTH requests and answers: every run of up to DEPTH starts somewhere in the first half. */
static uint8_t *requests, *answers;
static uint32_t request_size, answer_size;
static uint8_t  input[INPUT_SIZE];

static void die(const char *what)
{
    fprintf(stderr, "bench_reactor_load: %s: %s\n", what, errno ? strerror(errno) : "wrong answer");
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ns that the threads of the server have run. */
static uint64_t server_time(void)
{
    char path[64], command[128];
    uint64_t sum = 0;
    if (!o.pid) return 0;
    snprintf(path, sizeof path, "/proc/%d/task/", o.pid);
    snprintf(command, sizeof command, "cat /proc/%d/task/*/schedstat", o.pid);
    FILE *f = popen(command, "r");
    unsigned long long run, wait, slices;
    while (f && fscanf(f, "%llu %llu %llu", &run, &wait, &slices) == 3) sum += run;
    if (f) pclose(f);
    return sum;
}

/* >>histogram: 64 buckets for each power of two --------------------------- */
static uint64_t histogram[64 * 64], histogram_count, histogram_worst;

static void record(uint64_t ns, uint32_t count)
{
    uint32_t exponent = ns < 64 ? 0 : 58 - (uint32_t)__builtin_clzll(ns);
    histogram[exponent * 64 + (ns >> exponent)] += count;
    histogram_count += count;
    if (ns > histogram_worst) histogram_worst = ns;
}

static double percentile(double share)
{
    uint64_t wanted = (uint64_t)((double)histogram_count * share), seen = 0;
    for (uint32_t i = 0; i < 64 * 64; i++) {
        seen += histogram[i];
        if (seen > wanted) return (double)((uint64_t)(i % 64) << i / 64) / 1000.0;
    }
    return (double)histogram_worst / 1000.0;
}

/* >>kinds ----------------------------------------------------------------- */
static int dial(uint32_t source)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(0x7f000000u + source);
        setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
    }
    if (connect(fd, (struct sockaddr *)&o.address, sizeof o.address) != 0) die("connect");
    return fd;
}

/* What one GET is answered with: its head and as many bytes as that says. */
static void learn_http(const char *request)
{
    static char head[65536];
    int fd = dial(0);
    size_t used = 0;
    char *end = NULL, *length;
    if (send(fd, request, strlen(request), 0) < 0) die("send");
    while (!end) {
        ssize_t n = recv(fd, head + used, sizeof head - 1 - used, 0);
        if (n <= 0) die("first answer");
        head[used += (size_t)n] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    length = strcasestr(head, "content-length:");
    if (strncmp(head, "HTTP/1.1 200", 12) || !length) { errno = 0; die(head); }
    answer_size = (uint32_t)(end + 4 - head) + (uint32_t)atoi(length + 15);
    close(fd);
}

static void prepare(void)
{
    uint32_t n = 2 * o.depth;
    char get[512], *text = NULL;
    const char *answer = NULL;
    if (!strcmp(o.kind, "http")) {
        snprintf(get, sizeof get, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", o.get);
        text = get;
        learn_http(get);
    } else if (!strcmp(o.kind, "redis")) {
        text = "PING\r\n", answer = "+PONG\r\n";
    } else if (!strcmp(o.kind, "memcached")) {
        text = "mn\r\n", answer = "MN\r\n";
    }
    request_size = text ? (uint32_t)strlen(text) : o.size;
    if (!text) answer_size = o.size;
    if (answer) answer_size = (uint32_t)strlen(answer);
    requests = calloc(n, request_size);
    if (strcmp(o.kind, "http")) answers = calloc(n, answer_size);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *q = requests + (size_t)i * request_size;
        uint8_t *a = answers ? answers + (size_t)i * answer_size : NULL;
        uint32_t sequence = i % o.depth;
        if (text) {
            memcpy(q, text, request_size);
            if (answer) memcpy(a, answer, answer_size);
            continue;
        }
        for (uint32_t k = 0; k < request_size; k++) q[k] = (uint8_t)(sequence * 31 + k);
        if (!strcmp(o.kind, "hbtp")) {
            q[0] = q[1] = 0;
            q[2] = (uint8_t)sequence, q[3] = (uint8_t)(sequence >> 8);
            for (uint32_t k = 0; k < 4; k++) q[4 + k] = (uint8_t)((request_size - 8) >> 8 * k);
        }
        memcpy(a, q, request_size);
        if (!strcmp(o.kind, "hbtp")) a[0] = 1;
    }
}

/* >>closed loop ------------------------------------------------------------ */
static void flush(connection *c)
{
    size_t period = (size_t)o.depth * request_size;
    while (c->owed) {
        ssize_t n = send(c->fd, requests + c->sent % period, c->owed, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) die("send");
        c->sent += (uint64_t)n;
        c->owed -= (uint32_t)n;
    }
}

static void ask(connection *c, uint32_t count, uint64_t t)
{
    batch *b = &c->batches[(c->first + c->count++) % DEPTH_MAX];
    b->sent = t;
    b->count = count;
    c->owed += count * request_size;
    flush(c);
}

/* Bytes came back: compare them, count the answers that are complete with them. */
static uint32_t take(connection *c, uint32_t size)
{
    size_t period = (size_t)o.depth * answer_size;
    uint64_t before = c->back / answer_size;
    uint32_t at = 0;
    while (answers && at < size) {
        uint64_t from = (c->back + at) % period;
        uint32_t n = size - at < period ? size - at : (uint32_t)period;
        if (memcmp(input + at, answers + from, n)) { errno = 0; die("answer"); }
        at += n;
    }
    c->back += size;
    return (uint32_t)(c->back / answer_size - before);
}

static void settle(connection *c, uint32_t answered, uint64_t t, bool counted)
{
    while (answered) {
        batch *b = &c->batches[c->first % DEPTH_MAX];
        uint32_t n = answered < b->count ? answered : b->count;
        if (counted) record(t - b->sent, n);
        answered -= n;
        if (!(b->count -= n)) {
            c->first++;
            c->count--;
        }
    }
}

static void run_once(int loop, uint64_t *total, bool counted)
{
    struct epoll_event events[256];
    int n = epoll_wait(loop, events, 256, o.spin ? 0 : 1000);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        connection *c = events[i].data.ptr;
        ssize_t got = recv(c->fd, input, sizeof input, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) { flush(c); continue; }
        if (got <= 0) die("recv");
        uint64_t t = now();
        uint32_t answered = take(c, (uint32_t)got);
        settle(c, answered, t, counted);
        *total += answered;
        if (answered) ask(c, answered, t);
        else flush(c);
    }
}

static void closed_loop(void)
{
    connection *all = calloc(o.connections, sizeof *all);
    int loop = epoll_create1(0);
    prepare();
    for (uint32_t i = 0; i < o.connections; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
        all[i].fd = dial(0);
        all[i].batches = calloc(DEPTH_MAX, sizeof(batch));
        if (epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &e)) die("epoll_ctl");
    }
    for (uint32_t i = 0; i < o.connections; i++) ask(&all[i], o.depth, now());
    uint64_t total = 0, start = now(), end = start + (uint64_t)(o.warm * 1e9);
    while (now() < end) run_once(loop, &total, false);
    uint64_t cpu = server_time();
    total = 0;
    start = now();
    end = start + (uint64_t)(o.seconds * 1e9);
    while (now() < end) run_once(loop, &total, true);
    double spent = (double)(now() - start) / 1e9;
    cpu = server_time() - cpu;
    printf("%.0f %.1f %.1f %.1f %.1f %.1f %.0f\n", (double)total / spent, percentile(0.5), percentile(0.99),
           percentile(0.999), (double)histogram_worst / 1000.0, total ? (double)cpu / (double)total : 0.0,
           (double)total * answer_size / spent);
}

/* >>others ----------------------------------------------------------------- */
static void exactly(int fd, const uint8_t *out, uint32_t size)
{
    uint32_t got = 0;
    if (send(fd, out, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
    while (got < size) {
        ssize_t n = recv(fd, input + got, size - got, 0);
        if (n <= 0) die("recv");
        got += (uint32_t)n;
    }
    if (memcmp(out, input, size)) { errno = 0; die("answer"); }
}

static void churn(void)
{
    uint64_t start = now(), end = start + (uint64_t)(o.seconds * 1e9), count = 0, cpu = server_time();
    uint8_t request[4096];
    memset(request, 'x', sizeof request);
    while (now() < end) {
        struct linger reset = {1, 0}; /* leaves no TIME_WAIT: the ports last for ever */
        uint64_t t = now();
        int fd = dial(0);
        exactly(fd, request, o.size);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        record(now() - t, 1);
        count++;
    }
    double spent = (double)(now() - start) / 1e9;
    cpu = server_time() - cpu;
    printf("%.0f %.1f %.1f %.1f %.1f %.1f 0\n", (double)count / spent, percentile(0.5), percentile(0.99),
           percentile(0.999), (double)histogram_worst / 1000.0, count ? (double)cpu / (double)count : 0.0);
}

static void bulk(void)
{
    static uint8_t piece[1 << 18];
    int fd = dial(0);
    uint64_t sent = 0, back = 0, start = now(), cpu = server_time();
    for (uint32_t i = 0; i < sizeof piece; i++) piece[i] = (uint8_t)(i * 7 + (i >> 8));
    while (back < o.bytes) {
        struct epoll_event e;
        bool moved = false;
        if (sent < o.bytes && sent - back < (1 << 22)) { /* what may be under way */
            size_t at = sent % sizeof piece;
            ssize_t n = send(fd, piece + at, sizeof piece - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) sent += (uint64_t)n, moved = true;
            else if (errno != EAGAIN) die("send");
        }
        ssize_t n = recv(fd, input, sizeof input, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
        for (ssize_t at = 0; at < n;) {
            size_t from = (back + (uint64_t)at) % sizeof piece, k = sizeof piece - from;
            if (k > (size_t)(n - at)) k = (size_t)(n - at);
            if (memcmp(input + at, piece + from, k)) { errno = 0; die("bytes"); }
            at += (ssize_t)k;
        }
        if (n > 0) back += (uint64_t)n;
        else if (!moved) {
            int loop = epoll_create1(0);
            e.events = EPOLLIN | (sent < o.bytes && sent - back < (1 << 22) ? EPOLLOUT : 0);
            epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
            epoll_wait(loop, &e, 1, 1000);
            close(loop);
        }
    }
    double spent = (double)(now() - start) / 1e9;
    cpu = server_time() - cpu;
    printf("%.3f %.0f %.3f\n", spent, (double)o.bytes / spent, (double)cpu / 1e9);
}

static void idle(void)
{
    uint8_t request[4096];
    char line[16];
    memset(request, 'x', sizeof request);
    for (uint32_t i = 0; i < o.connections; i++) {
        o.address.sin_addr.s_addr = htonl(0x7f000001u + i % o.addresses);
        exactly(dial(0), request, o.size);
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {}
}

static bool option(const char *text)
{
    const char *value = strchr(text, '=');
    if (!value) return false;
    size_t n = (size_t)(value++ - text);
#define IS(name) (n == sizeof name - 1 && !memcmp(text, name, n))
    if (IS("size")) o.size = (uint32_t)atoi(value);
    else if (IS("spin")) o.spin = atoi(value) != 0;
    else if (IS("warm")) o.warm = atof(value);
    else if (IS("pid")) o.pid = atoi(value);
    else if (IS("get")) o.get = value;
    else if (IS("bytes")) o.bytes = strtoull(value, NULL, 10);
    else if (IS("addresses")) o.addresses = (uint32_t)atoi(value);
    else return false;
#undef IS
    return true;
}

int main(int argc, char **argv)
{
    char host[64], *port;
    bool good = argc >= 6 && strlen(argv[1]) < sizeof host;
    for (int i = 6; good && i < argc; i++) good = option(argv[i]);
    if (good) {
        snprintf(host, sizeof host, "%s", argv[1]);
        port = strchr(host, ':');
        good = port != NULL;
        if (good) *port++ = 0;
        o.address.sin_family = AF_INET;
        if (good) o.address.sin_port = htons((uint16_t)atoi(port));
        good = good && inet_pton(AF_INET, host, &o.address.sin_addr) == 1;
    }
    if (good) {
        o.kind = argv[2];
        o.connections = (uint32_t)atoi(argv[3]);
        o.depth = (uint32_t)atoi(argv[4]);
        o.seconds = atof(argv[5]);
    }
    if (good && !strcmp(o.kind, "churn") && o.size <= 4096) churn();
    else if (good && !strcmp(o.kind, "bulk")) bulk();
    else if (good && !strcmp(o.kind, "idle") && o.connections && o.addresses && o.size <= 4096) idle();
    else if (good && o.connections && o.depth && o.depth < DEPTH_MAX && o.size >= 1 &&
             (strcmp(o.kind, "hbtp") || o.size >= 8)) closed_loop();
    else {
        fprintf(stderr, "usage: bench_reactor_load ADDRESS:PORT KIND CONNECTIONS DEPTH SECONDS [option=value]...\n");
        return 2;
    }
    return 0;
}
