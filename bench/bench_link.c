/*  Calls over layers/dx_link.h: a server, and who calls it.

        bench_link serve ADDRESS:PORT
        bench_link call ADDRESS:PORT CONNECTIONS DEPTH SECONDS [option=value]...

    options   size=8    bytes of the arguments, and of the result
              rate=0    0: closed loop, each answer is followed by the next call; else so many calls a second in all,
                        sent when they are due, whatever was answered (at most DEPTH wait on a connection): latency is
                        counted from when a call was due, so a server that stalls is not spared
              hello=0   1: version 2, agreed upon first
              warm=0.1  seconds before anything is counted
    Prints one line: calls a second, p50, p99, p99.9 and the worst in microseconds, calls that failed. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../dx_reactor.h"
#include "../dx_hbtp.h"
#include "../layers/dx_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 4096, DEPTH_MAX = 4096, SIZE_MAX_ = 16000, ECHO = 1, BUCKETS = 64 * 16 };

typedef struct connection {
    dx_link_id id;
    uint32_t   waiting;
    uint64_t  *due;      /* of the calls that wait: a ring of depth */
    uint32_t   first;
} connection;

static struct {
    const char *address;
    uint32_t connections, depth, size, rate, hello;
    double   seconds, warm;
} o = {.size = 8, .warm = 0.1};

static dx_reactor      reactor;
static dx_link         links;
static dx_hbtp_router  router;
static dx_hbtp_hello   hello;
static connection      connections[CONNECTIONS_MAX];
static uint8_t         arguments[SIZE_MAX_];
static uint64_t        counts[BUCKETS], answered, failed, worst, began, next_due, due_count;
static dx_op           timer;

static void die(const char *what)
{
    fprintf(stderr, "bench_link: %s\n", what);
    exit(1);
}

static uint64_t now(void) { return dx_reactor_refresh_now_ns(&reactor); }

/* A histogram with 16 steps for each power of two. */
static uint32_t bucket_of(uint64_t ns)
{
    uint32_t power = 63 - (uint32_t)__builtin_clzll(ns | 16);
    return power * 16 + (uint32_t)(ns >> (power - 4) & 15);
}

static uint64_t value_of(uint32_t bucket)
{
    const uint32_t power = bucket / 16;
    return ((uint64_t)16 + bucket % 16) << (power - 4);
}

static double percentile(double share)
{
    uint64_t left = (uint64_t)((double)answered * (1 - share));
    uint32_t i = BUCKETS;
    while (i-- > 0) {
        if (counts[i] > left) return (double)value_of(i) / 1e3;
        left -= counts[i];
    }
    return 0;
}

static int on_echo(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

/* One call more; in an open loop it was due before now, perhaps. */
static bool ask(connection *k, uint64_t due)
{
    dx_hbtp_session *s = dx_link_session(&links, k->id);
    if (!s || k->waiting == o.depth) return false;
    if (dx_hbtp_call(s, ECHO, arguments, o.size, UINT64_MAX, k, NULL)) return false;
    k->due[(k->first + k->waiting++) % o.depth] = due;
    return true;
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    connection *k = (connection *)r->user;
    const uint64_t at = dx_reactor_now_ns(&reactor);
    const uint64_t took = at - k->due[k->first];
    (void)s;
    k->first = (k->first + 1) % o.depth; /* answers come in the order of the calls here */
    k->waiting--;
    if (r->error || r->payload_size != o.size) failed++;
    if (at - began >= (uint64_t)(o.warm * 1e9)) {
        answered++;
        counts[bucket_of(took)]++;
        if (took > worst) worst = took;
    }
    if (!o.rate && !r->error) (void)ask(k, at);
}

/* Who was refused for want of room asks again. */
static void on_writable(dx_link *l, dx_link_id id)
{
    (void)l;
    for (uint32_t i = 0; !o.rate && i < o.connections; i++)
        while (connections[i].id == id && ask(&connections[i], dx_reactor_now_ns(&reactor))) {}
}

/* Open loop: all that is due by now, on one connection after the other. */
static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    const uint64_t at = now();
    (void)flags;
    if (result < 0) return;
    while (next_due <= at) {
        if (!ask(&connections[due_count % o.connections], next_due)) failed++;
        due_count++;
        next_due = began + (uint64_t)((double)due_count * 1e9 / o.rate);
    }
    dx_reactor_timer_at(r, op, next_due);
}

static void open_links(void)
{
    dx_reactor_desc desc = {0};
    dx_link_desc d = {0};
    desc.buffer_count = 256;
    desc.buffer_size = 16384;
    desc.descriptors_max = CONNECTIONS_MAX + 16;
    desc.memory_size = dx_reactor_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    if (dx_reactor_open(&reactor, &desc)) die("the reactor");
    dx_hbtp_router_init(&router);
    dx_hbtp_router_set_method(&router, ECHO, on_echo, NULL);
    dx_hbtp_router_set(&router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &hello);
    d.links_max = CONNECTIONS_MAX;
    d.out_size = 65536;
    d.session.router = &router;
    d.session.on_result = on_result;
    d.session.outstanding_max = DEPTH_MAX;
    d.session.frames_max = DEPTH_MAX;
    d.writable = on_writable;
    if (o.hello) d.hello = &hello;
    d.memory_size = dx_link_memory_size(&d);
    d.memory = malloc(d.memory_size);
    if (!d.memory || dx_link_open(&links, &reactor, &d)) die("the links");
}

static int serve(void)
{
    dx_reactor_address at;
    int fd;
    open_links();
    if (dx_reactor_address_parse(&at, o.address) ||
        dx_reactor_listen(&reactor, &at, DX_REACTOR_NODELAY, 0, &fd, NULL) || dx_link_listen(&links, fd))
        die("cannot listen");
    return dx_reactor_run(&reactor);
}

static int call(void)
{
    dx_reactor_address at;
    uint64_t end;
    double seconds;
    open_links();
    if (dx_reactor_address_parse(&at, o.address)) die("the address");
    for (uint32_t i = 0; i < o.connections; i++) {
        connections[i].due = (uint64_t *)calloc(o.depth, sizeof(uint64_t));
        if (!connections[i].due || dx_link_connect(&links, &at, &connections[i].id)) die("cannot connect");
    }
    began = now();
    end = began + (uint64_t)((o.warm + o.seconds) * 1e9);
    if (o.rate) {
        dx_reactor_op_init(&timer, on_timer, NULL);
        next_due = began;
        dx_reactor_timer_at(&reactor, &timer, began);
    }
    for (uint32_t i = 0; !o.rate && i < o.connections; i++)
        while (ask(&connections[i], began)) {}
    while (now() < end && links.count)
        if (dx_reactor_run_once(&reactor, 100000000) < 0) die("the event loop");
    seconds = (double)(now() - began) / 1e9 - o.warm;
    printf("calls/s %.0f p50 %.1f p99 %.1f p99.9 %.1f worst %.1f us failed %llu\n", (double)answered / seconds,
           percentile(0.5), percentile(0.99), percentile(0.999), (double)worst / 1e3, (unsigned long long)failed);
    return links.count < o.connections;
}

int main(int count, char **words)
{
    const bool serves = count >= 3 && !strcmp(words[1], "serve");
    if (!serves && (count < 6 || strcmp(words[1], "call"))) die("serve ADDRESS:PORT | call ADDRESS:PORT CONNECTIONS DEPTH SECONDS [option=value]...");
    o.address = words[2];
    if (serves) return serve();
    o.connections = (uint32_t)atoi(words[3]);
    o.depth = (uint32_t)atoi(words[4]);
    o.seconds = atof(words[5]);
    for (int i = 6; i < count; i++) {
        const char *value = strchr(words[i], '=');
        if (!value) die("an option without a value");
        if (!strncmp(words[i], "size=", 5)) o.size = (uint32_t)atoi(value + 1);
        else if (!strncmp(words[i], "rate=", 5)) o.rate = (uint32_t)atoi(value + 1);
        else if (!strncmp(words[i], "hello=", 6)) o.hello = (uint32_t)atoi(value + 1);
        else if (!strncmp(words[i], "warm=", 5)) o.warm = atof(value + 1);
        else die("an unknown option");
    }
    if (!o.connections || o.connections > CONNECTIONS_MAX || !o.depth || o.depth > DEPTH_MAX || o.size > SIZE_MAX_) die("out of range");
    return call();
}
