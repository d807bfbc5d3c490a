/*  Load on dxdb, and the times from a commit to what follows from it.

        bench_dxdb get ADDRESS:PORT KIND CONNECTIONS DEPTH SECONDS WHAT [option=value]...
            KIND hbtp: method 1 with the parameter WHAT; http: GET WHAT; redis: GET of the key WHAT.
            Prints requests a second, p50, p99, p99.9 and the worst in microseconds, the processor
            time of the servers per request in ns, and the bytes of an answer. Every answer is
            compared with the first one.
        bench_dxdb commit ADDRESS:PORT ROUNDS DATABASE
            COMMIT on one connection, then gets of method 1 with the parameter 7, one after the other.
            Prints p50, p99 and the worst in microseconds from the end of the COMMIT to the sending of
            the first get that is answered with the new row, then the same to its answer.
        bench_dxdb watch ADDRESS:PORT SUBSCRIBERS ROUNDS DATABASE
            The same result, followed by SUBSCRIBERS connections. Prints p50, p99 and the worst in
            microseconds from the end of a COMMIT to the patch of a subscriber, then the same to the
            patch of the last of all, over ROUNDS commits.
        bench_dxdb idle ADDRESS:PORT CONNECTIONS
            One call of method 1 with the parameter 7 on each; then prints "open", and keeps them
            until the input ends. They come from 127.0.0.2 and the following addresses.

    options   rate=0    0: closed loop, each answer is followed by the next request; else so many
                        requests a second, sent when they are due: latency is counted from then
              warm=0.2  seconds before anything is counted
              pids=     processes of the server, with commas between
    A session follows a state once, so each subscriber of a result needs a connection.
    Statements that commit: UPDATE bench SET v = v + 1 WHERE id = 7. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 1024, INPUT_MAX = 1 << 20, PIDS_MAX = 64, PATIENCE_MS = 20000 };
enum { OP_STATE_SYNC = 0x10, OP_STATE_DELTA = 0x11, OP_SUBSCRIBE = 0x12, OP_CALL = 0x30,
       OP_RESPONSE = 0x31, METHOD_FOLLOW = 255 };
enum { HBTP, HTTP, REDIS };

typedef struct connection {
    int      fd;
    uint64_t due[DEPTH_MAX]; /* of the requests that wait */
    uint32_t first, waiting;
    uint16_t sequence;
    uint8_t *output;         /* what a full socket has not taken */
    size_t   owed, output_size;
    uint8_t *input;
    size_t   used, input_size;
    bool     got;            /* watch: its patch of this round has come */
} connection;

static struct {
    struct sockaddr_in address;
    struct sockaddr_in *from; /* NULL: any */
    int      kind;
    uint32_t connections, depth;
    double   seconds, warm, rate;
    int      pids[PIDS_MAX];
    uint32_t pid_count;
} o = {.warm = 0.2};

static uint8_t  request[4096];
static size_t   request_size;
static uint8_t *expected; /* the first answer's body */
static size_t   expected_size, answer_size;
static uint64_t *samples;
static size_t   sample_count, sample_room;

static void die(const char *what)
{
    fprintf(stderr, "bench_dxdb: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static void wrong(const char *what)
{
    errno = 0;
    die(what);
}

static void *memory(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (!p) die("memory");
    return p;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* >>samples --------------------------------------------------------------- */
static void record(uint64_t ns)
{
    if (sample_count == sample_room) {
        sample_room = sample_room ? 2 * sample_room : 1 << 16;
        samples = memory(samples, sample_room * sizeof *samples);
    }
    samples[sample_count++] = ns;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(const uint64_t *all, size_t count, double share)
{
    size_t at = (size_t)((double)count * share);
    if (!count) return 0;
    return (double)all[at < count ? at : count - 1] / 1000.0;
}

static void print_times(uint64_t *all, size_t count)
{
    qsort(all, count, sizeof *all, by_size);
    printf("%.1f %.1f %.1f", percentile(all, count, 0.5), percentile(all, count, 0.99),
           percentile(all, count, 1));
}

/* Nanoseconds that the threads of the servers have run. */
static uint64_t server_time(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < o.pid_count; i++) {
        char command[96];
        unsigned long long run, wait, slices;
        snprintf(command, sizeof command, "cat /proc/%d/task/*/schedstat 2>/dev/null", o.pids[i]);
        FILE *f = popen(command, "r");
        while (f && fscanf(f, "%llu %llu %llu", &run, &wait, &slices) == 3) sum += run;
        if (f) pclose(f);
    }
    return sum;
}

/* >>frames ------------------------------------------------------------------ */
static void put_number(uint8_t *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_number(const uint8_t *bytes, int size)
{
    uint64_t value = 0;
    while (size--) value = value << 8 | bytes[size];
    return value;
}

static size_t put_frame(uint8_t *out, int opcode, const void *payload, size_t size)
{
    out[0] = (uint8_t)opcode;
    out[1] = 4; /* an answer is expected */
    put_number(out + 2, 1, 2);
    put_number(out + 4, size, 4);
    memcpy(out + 8, payload, size);
    return 8 + size;
}

static size_t put_call(uint8_t *out, const char *parameter)
{
    uint8_t payload[256];
    const size_t size = strlen(parameter);
    if (size > 200) wrong("the parameter is too long");
    payload[0] = 1;
    put_number(payload + 1, size, 4);
    memcpy(payload + 5, parameter, size);
    return put_frame(out, OP_CALL, payload, 5 + size);
}

/* A number after this text, which ends before `end`. */
static bool find_number(const char *text, const char *end, const char *name, size_t *number)
{
    const size_t length = strlen(name);
    for (; text + length < end; text++) {
        if (strncasecmp(text, name, length)) continue;
        *number = strtoul(text + length, NULL, 10);
        return true;
    }
    return false;
}

/* The size of the answer at the beginning of the input, and where its body is. 0: it is not complete. */
static size_t parse(const uint8_t *bytes, size_t size, const uint8_t **body, size_t *body_size)
{
    const char *text = (const char *)bytes, *end;
    size_t head;
    if (o.kind == HBTP) {
        if (size < 8) return 0;
        if (bytes[0] != OP_RESPONSE) wrong("a refusal");
        head = 8;
        *body_size = (size_t)get_number(bytes + 4, 4);
    } else if (o.kind == HTTP) {
        end = memmem(bytes, size, "\r\n\r\n", 4);
        if (!end) return 0;
        if (size < 12 || memcmp(text, "HTTP/1.1 200", 12)) wrong("a refusal");
        if (!find_number(text, end, "\ncontent-length:", body_size)) wrong("no Content-Length");
        head = (size_t)(end + 4 - text);
    } else {
        end = memchr(bytes, '\n', size);
        if (!end) return 0;
        if (text[0] != '$' || text[1] == '-') wrong("a refusal");
        *body_size = strtoul(text + 1, NULL, 10);
        head = (size_t)(end + 1 - text);
    }
    *body = bytes + head;
    const size_t whole = head + *body_size + (o.kind == REDIS ? 2 : 0);
    return size < whole ? 0 : whole;
}

/* >>connections ---------------------------------------------------------------- */
static void dial(connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket");
    if (o.from && bind(c->fd, (struct sockaddr *)o.from, sizeof *o.from)) die("bind");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&o.address, sizeof o.address)) die("connect");
}

static void flush(connection *c)
{
    size_t sent = 0;
    while (sent < c->owed) {
        const ssize_t n = send(c->fd, c->output + sent, c->owed - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) die("send");
        sent += (size_t)n;
    }
    memmove(c->output, c->output + sent, c->owed - sent);
    c->owed -= sent;
}

static void put(connection *c, const void *bytes, size_t size)
{
    if (c->owed + size > c->output_size) {
        c->output_size = 2 * (c->owed + size);
        c->output = memory(c->output, c->output_size);
    }
    memcpy(c->output + c->owed, bytes, size);
    c->owed += size;
}

static void ask(connection *c, uint64_t due)
{
    c->due[(c->first + c->waiting++) % DEPTH_MAX] = due;
    put(c, request, request_size);
    if (o.kind == HBTP) put_number(c->output + c->owed - request_size + 2, ++c->sequence, 2);
}

/* Receive what is there. False: nothing was. */
static bool receive(connection *c, int flags)
{
    if (c->input_size - c->used < 1 << 16) {
        c->input_size = 2 * c->input_size + (1 << 17);
        c->input = memory(c->input, c->input_size);
    }
    const ssize_t n = recv(c->fd, c->input + c->used, c->input_size - c->used, flags);
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) die("recv");
    if (!n) wrong("the server has closed the connection");
    c->used += (size_t)n;
    return true;
}

static void drop(connection *c, size_t size)
{
    c->used -= size;
    memmove(c->input, c->input + size, c->used);
}

static void check(const uint8_t *body, size_t size, size_t whole)
{
    if (!expected) {
        expected = memory(NULL, size + 1);
        memcpy(expected, body, size);
        expected_size = size;
        answer_size = whole;
    }
    if (size != expected_size || memcmp(body, expected, size)) wrong("another answer");
}

/* Take all complete answers. Returns how many. */
static uint32_t take(connection *c, uint64_t t, bool counted)
{
    const uint8_t *body;
    size_t size, at = 0, whole;
    uint32_t count = 0;
    while (c->waiting && (whole = parse(c->input + at, c->used - at, &body, &size)) > 0) {
        check(body, size, whole);
        if (counted) record(t - c->due[c->first % DEPTH_MAX]);
        c->first++;
        c->waiting--;
        count++;
        at += whole;
    }
    if (at) drop(c, at);
    return count;
}

/* >>get ---------------------------------------------------------------------------- */
static connection *open_all(uint32_t count, int loop)
{
    connection *all = memory(NULL, count * sizeof *all);
    memset(all, 0, count * sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
        dial(&all[i]);
        if (epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &e)) die("epoll_ctl");
    }
    return all;
}

static uint64_t run(connection *all, int loop, double seconds, bool counted)
{
    static uint64_t asked; /* round robin over the connections */
    struct epoll_event events[256];
    const uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
    uint64_t total = 0, due_count = 0;
    for (uint64_t t = begin; t < end; t = now()) {
        while (o.rate > 0 && begin + (uint64_t)((double)due_count / o.rate * 1e9) <= t) {
            connection *c = &all[asked % o.connections];
            if (c->waiting == o.depth) break; /* its latency grows meanwhile */
            ask(c, begin + (uint64_t)((double)due_count++ / o.rate * 1e9));
            asked++;
        }
        for (uint32_t i = 0; o.rate > 0 && i < o.connections; i++)
            if (all[i].owed) flush(&all[i]);
        const int n = epoll_wait(loop, events, 256, 0);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!receive(c, MSG_DONTWAIT)) continue;
            const uint64_t came = now();
            const uint32_t count = take(c, came, counted);
            total += count;
            for (uint32_t k = 0; o.rate <= 0 && k < count; k++) ask(c, came);
            flush(c);
        }
    }
    return total;
}

static void settle(connection *all)
{
    for (uint32_t i = 0; i < o.connections; i++)
        while (all[i].waiting) {
            flush(&all[i]);
            if (!take(&all[i], 0, false)) (void)receive(&all[i], 0);
        }
}

static void get(const char *what)
{
    const int loop = epoll_create1(0);
    connection *all = open_all(o.connections, loop);
    if (strlen(what) > 2000) wrong("WHAT is too long");
    if (o.kind == HBTP) request_size = put_call(request, what);
    else if (o.kind == HTTP)
        request_size = (size_t)sprintf((char *)request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", what);
    else request_size = (size_t)sprintf((char *)request, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
                                        strlen(what), what);
    for (uint32_t i = 0; o.rate <= 0 && i < o.connections; i++) {
        for (uint32_t k = 0; k < o.depth; k++) ask(&all[i], now());
        flush(&all[i]);
    }
    run(all, loop, o.warm, false);
    const uint64_t cpu = server_time(), begin = now();
    const uint64_t total = run(all, loop, o.seconds, true);
    const double spent = (double)(now() - begin) / 1e9;
    const uint64_t used = server_time() - cpu;
    settle(all);
    qsort(samples, sample_count, sizeof *samples, by_size);
    printf("%.0f %.1f %.1f %.1f %.1f %.0f %zu\n", (double)total / spent,
           percentile(samples, sample_count, 0.5), percentile(samples, sample_count, 0.99),
           percentile(samples, sample_count, 0.999), percentile(samples, sample_count, 1),
           total ? (double)used / (double)total : 0, answer_size);
}

/* >>commits ------------------------------------------------------------------------------ */
static PGconn *database(const char *url)
{
    PGconn *pg = PQconnectdb(url);
    if (PQstatus(pg) != CONNECTION_OK) wrong(PQerrorMessage(pg));
    PGresult *r = PQprepare(pg, "w", "UPDATE bench SET v = v + 1 WHERE id = 7", 0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) wrong(PQerrorMessage(pg));
    PQclear(r);
    return pg;
}

/* When it was committed. */
static uint64_t commit(PGconn *pg)
{
    PGresult *r = PQexecPrepared(pg, "w", 0, NULL, NULL, NULL, 0);
    const uint64_t t = now();
    if (PQresultStatus(r) != PGRES_COMMAND_OK || strcmp(PQcmdTuples(r), "1"))
        wrong(PQerrorMessage(pg));
    PQclear(r);
    return t;
}

static void rest_us(useconds_t us) { (void)usleep(us); }

/* Call, and wait for the answer; it stays at the beginning of the input. Returns its size. */
static size_t call(connection *c, const uint8_t *frame, size_t size, const uint8_t **body,
                   size_t *body_size)
{
    size_t whole;
    put(c, frame, size);
    flush(c);
    while ((whole = parse(c->input, c->used, body, body_size)) == 0) (void)receive(c, 0);
    return whole;
}

static void commits(uint32_t rounds, const char *url)
{
    PGconn *pg = database(url);
    connection c = {0};
    uint64_t *answers = memory(NULL, rounds * sizeof *answers);
    const uint8_t *body;
    size_t size, old_size;
    uint8_t *old = memory(NULL, INPUT_MAX);
    dial(&c);
    request_size = put_call(request, "7");
    for (uint32_t i = 0; i < rounds; i++) {
        size_t whole = call(&c, request, request_size, &body, &old_size);
        memcpy(old, body, old_size);
        drop(&c, whole);
        rest_us(2000 + (useconds_t)(random() % 2000)); /* no phase of the heartbeat is preferred */
        const uint64_t committed = commit(pg);
        uint64_t sent;
        do {
            sent = now();
            whole = call(&c, request, request_size, &body, &size);
            const bool same = size == old_size && !memcmp(body, old, size);
            drop(&c, whole);
            if (!same) break;
            if (sent - committed > (uint64_t)PATIENCE_MS * 1000000) wrong("it is never invalidated");
        } while (true);
        record(sent - committed);
        answers[i] = now() - committed;
    }
    print_times(samples, sample_count);
    printf(" ");
    print_times(answers, rounds);
    printf("\n");
    PQfinish(pg);
}

/* >>watch -------------------------------------------------------------------------------- */
/* Follow the query with the parameter 7, and take the first record. */
static void follow(connection *c)
{
    uint8_t payload[64], frame[80];
    const uint8_t *body;
    size_t size;
    memset(payload, 0, sizeof payload);
    payload[0] = METHOD_FOLLOW;
    payload[1] = 1;
    put_number(payload + 3, 1, 4);
    payload[7] = '7';
    drop(c, call(c, frame, put_frame(frame, OP_CALL, payload, 8), &body, &size));
    const uint64_t number = get_number(body, 4);
    memset(payload, 0, sizeof payload);
    put_number(payload, number, 4);
    drop(c, call(c, frame, put_frame(frame, OP_SUBSCRIBE, payload, 20), &body, &size));
    while (c->used < 8 || c->used < 8 + get_number(c->input + 4, 4)) (void)receive(c, 0);
    if (c->input[0] != OP_STATE_SYNC) wrong("another frame than the first record");
    drop(c, 8 + (size_t)get_number(c->input + 4, 4));
}

/* All complete frames, which must be changes. True: there was one. */
static bool take_changes(connection *c)
{
    bool any = false;
    while (c->used >= 8 && c->used >= 8 + get_number(c->input + 4, 4)) {
        if (c->input[0] != OP_STATE_DELTA) wrong("another frame than a patch");
        drop(c, 8 + (size_t)get_number(c->input + 4, 4));
        any = true;
    }
    return any;
}

/* Wait until each subscriber has its patch of this commit. */
static void wait_for_all(connection *all, uint32_t count, int loop, uint64_t committed)
{
    struct epoll_event events[1024];
    uint32_t left = count;
    for (uint32_t i = 0; i < count; i++) all[i].got = false;
    while (left) {
        const int n = epoll_wait(loop, events, 1024, PATIENCE_MS);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) wrong("a patch is missing");
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!receive(c, MSG_DONTWAIT) || !take_changes(c)) continue;
            if (c->got) wrong("two patches of one commit");
            c->got = true;
            left--;
            record(now() - committed);
        }
    }
}

static void watch(uint32_t count, uint32_t rounds, const char *url)
{
    const int loop = epoll_create1(0);
    PGconn *pg = database(url);
    connection *all = open_all(count, loop);
    uint64_t *last = memory(NULL, rounds * sizeof *last);
    for (uint32_t i = 0; i < count; i++) follow(&all[i]);
    for (uint32_t i = 0; i < rounds; i++) {
        rest_us(5000 + (useconds_t)(random() % 5000));
        const uint64_t committed = commit(pg);
        wait_for_all(all, count, loop, committed);
        last[i] = now() - committed;
    }
    print_times(samples, sample_count);
    printf(" ");
    print_times(last, rounds);
    printf("\n");
    PQfinish(pg);
}

/* >>idle ---------------------------------------------------------------------------------- */
static void idle(uint32_t count)
{
    const uint32_t per_address = 20000;
    struct sockaddr_in from = {.sin_family = AF_INET};
    const uint8_t *body;
    size_t size;
    request_size = put_call(request, "7");
    o.from = &from;
    for (uint32_t i = 0; i < count; i++) {
        connection c = {0};
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + i / per_address);
        dial(&c);
        (void)call(&c, request, request_size, &body, &size);
        free(c.input);
        free(c.output);
    }
    printf("open\n");
    fflush(stdout);
    while (getchar() != EOF) continue;
}

/* >>command line --------------------------------------------------------------------------- */
static bool option(const char *text)
{
    char *next;
    if (!strncmp(text, "rate=", 5)) {
        o.rate = atof(text + 5);
    } else if (!strncmp(text, "warm=", 5)) {
        o.warm = atof(text + 5);
    } else if (!strncmp(text, "pids=", 5)) {
        for (text += 5; *text && o.pid_count < PIDS_MAX; text = *next ? next + 1 : next)
            o.pids[o.pid_count++] = (int)strtol(text, &next, 10);
    } else {
        return false;
    }
    return true;
}

static bool parse_address(const char *text)
{
    char host[64];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host) return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    o.address.sin_family = AF_INET;
    o.address.sin_port = htons((uint16_t)atoi(colon + 1));
    return inet_pton(AF_INET, host, &o.address.sin_addr) == 1;
}

static bool is_get(int argc, char **argv)
{
    static const char *const kinds[] = {"hbtp", "http", "redis"};
    if (argc < 8 || strcmp(argv[1], "get")) return false;
    while (o.kind < 3 && strcmp(kinds[o.kind], argv[3])) o.kind++;
    o.connections = (uint32_t)atoi(argv[4]);
    o.depth = (uint32_t)atoi(argv[5]);
    o.seconds = atof(argv[6]);
    for (int i = 8; i < argc; i++)
        if (!option(argv[i])) return false;
    return o.kind < 3 && o.connections && o.depth && o.depth < DEPTH_MAX && o.seconds > 0;
}

int main(int argc, char **argv)
{
    const bool good = argc > 2 && parse_address(argv[2]);
    if (good && is_get(argc, argv)) get(argv[7]);
    else if (good && argc == 5 && !strcmp(argv[1], "commit") && atoi(argv[3]) > 0)
        commits((uint32_t)atoi(argv[3]), argv[4]);
    else if (good && argc == 6 && !strcmp(argv[1], "watch") && atoi(argv[3]) > 0 && atoi(argv[4]) > 0)
        watch((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]), argv[5]);
    else if (good && argc == 4 && !strcmp(argv[1], "idle") && atoi(argv[3]) > 0)
        idle((uint32_t)atoi(argv[3]));
    else {
        fprintf(stderr, "usage: bench_dxdb get|commit|watch|idle ADDRESS:PORT ...: see bench/bench_dxdb.c\n");
        return 2;
    }
    return 0;
}
