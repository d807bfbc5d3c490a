/*  A server to point load generators at: HBTP (Ping to Pong, RpcCall to RpcResponse) or HTTP/1.1.

        cc -O2 -o dxecho examples/dxecho/dxecho.c -lpthread

        dxecho PORT [--backend auto|io_uring|epoll] [--workers N] [--http | --plain] [--spin US] [--bind ADDRESS]

    --plain sends back whatever bytes come. Prints one line when it listens (PORT 0: the system chooses). Ends with status 0 after SIGTERM or
    SIGINT, 1 when the system refuses something, 2 for wrong arguments. Everything that lies in one
    receive is answered with one send; what comes meanwhile is answered into a second buffer, and
    when both are on their way, no more is received.
*/
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../dx_reactor.h"
#include "http.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_MAX = 65536, IN_SIZE = PAYLOAD_MAX + 4096, OUT_SIZE = IN_SIZE, BATCH = 256 };

typedef struct server server;
typedef struct peer { /* a connection; both outputs in flight: nothing is received */
    dx_op    recv_op, close_op, send_op[2], deadline_op;
    server  *of;
    int      fd;
    uint32_t have;      /* bytes in in[] */
    int      filling;   /* output to be filled next */
    bool     last;      /* after what is being sent: the end */
    bool     rude;      /* the end, although the peer may go on sending: read that, then close */
    uint8_t  out[2][OUT_SIZE], in[IN_SIZE];
} peer;

struct server { /* one thread's */
    dx_reactor *r;
    dx_op       accept_op, retry_op;
    int         listening;
    uint64_t    backoff_ns;
};

static struct {
    int         port, backend, bound;
    uint32_t    workers;
    bool        http, plain;
    uint64_t    spin_ns;
    const char *address;
} options = {0, DX_REACTOR_BACKEND_AUTO, 0, 1, false, false, 0, "127.0.0.1"};

static dx_reactor_group group;
static dx_reactor       alone;
static server           servers[1024];
static volatile sig_atomic_t stopped;

/* >>answers ------------------------------------------------------------- */
/* One frame. False: no room. */
static bool answer_frame(dx_hbtp_out *out, const dx_hbtp_descriptor *d, const uint8_t *payload)
{
    uint8_t flags = d->flags & DX_HBTP_FLAG_HAS_CHECKSUM;
    if (!dx_hbtp_opcode_is_defined(d->opcode)) return true; /* of a newer format: ignored */
    if (d->flags & (DX_HBTP_FLAG_COMPRESSED | DX_HBTP_FLAG_ENCRYPTED))
        return dx_hbtp_write_rpc_error(out, d->sequence, DX_HBTP_STATUS_UNSUPPORTED, NULL) == 0;
    switch (d->opcode) {
    case DX_HBTP_OP_PING:
        return dx_hbtp_write_frame(out, DX_HBTP_OP_PONG, flags, d->sequence, payload, d->payload_size) == 0;
    case DX_HBTP_OP_RPC_CALL:
        return dx_hbtp_write_frame(out, DX_HBTP_OP_RPC_RESPONSE, flags, d->sequence, payload, d->payload_size) == 0;
    case DX_HBTP_OP_PONG:
    case DX_HBTP_OP_RPC_RESPONSE:
    case DX_HBTP_OP_RPC_ERROR:
        return true; /* answers to nothing that was asked */
    default:
        return dx_hbtp_write_rpc_error(out, d->sequence, DX_HBTP_STATUS_NOT_FOUND, NULL) == 0;
    }
}

/* Answers to as many whole frames as fit. Bytes consumed; *ended: nothing follows. */
static size_t answer_hbtp(const uint8_t *in, size_t size, uint8_t *memory, size_t *made, bool *ended)
{
    dx_hbtp_descriptor frames[BATCH];
    dx_hbtp_out out;
    size_t at = 0, count, i;
    int64_t used = 1;
    bool room = true;
    dx_hbtp_out_init(&out, memory, OUT_SIZE);
    while (room && !*ended && used > 0 && at < size) {
        used = dx_hbtp_parse_batch(in + at, size - at, PAYLOAD_MAX, frames, BATCH, &count);
        if (used < 0) {
            dx_hbtp_frame bad;
            uint16_t status = used == DX_HBTP_ETOOBIG ? DX_HBTP_STATUS_TOO_BIG : DX_HBTP_STATUS_BAD_REQUEST;
            dx_hbtp_parse(in + at, size - at, PAYLOAD_MAX, &bad);
            if (dx_hbtp_out_room(&out) < 256) break; /* say it in the next buffer */
            dx_hbtp_write_rpc_error(&out, bad.sequence, status, NULL);
            dx_hbtp_write_close(&out, status, NULL);
            *ended = true;
            at = size;
            break;
        }
        for (i = 0; i < count; i++) {
            *ended = frames[i].opcode == DX_HBTP_OP_CLOSE;
            if (*ended) break;
            room = answer_frame(&out, &frames[i], in + at + frames[i].payload_offset);
            if (!room) break;
        }
        if (i < count && !*ended) used = frames[i].payload_offset - DX_HBTP_HEADER_SIZE;
        at += (size_t)used;
    }
    dx_hbtp_out_data(&out, made);
    return at;
}

static size_t answer_http(const uint8_t *in, size_t size, uint8_t *memory, size_t *made, bool *ended)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    size_t at = 0, n;
    http_request q;
    *made = 0;
    while (!*ended && OUT_SIZE - *made >= 256 && (n = http_parse(in + at, size - at, &q)) > 0) {
        at += n;
        *ended = q.close;
        if (q.status == 200 && !q.close) {
            memcpy(memory + *made, ok, sizeof ok - 1);
            *made += sizeof ok - 1 - (q.head ? 2 : 0);
        } else {
            *made += (size_t)snprintf((char *)memory + *made, 256, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s%s\r\n%s",
                                      q.status, q.status == 200 ? "OK" : "Refused", q.status == 200 ? 2 : 0,
                                      q.status == 405 ? "Allow: GET, HEAD\r\n" : "", "Connection: close\r\n",
                                      q.status == 200 && !q.head ? "ok" : "");
        }
    }
    return at;
}

static size_t answer_plain(const uint8_t *in, size_t size, uint8_t *memory, size_t *made, bool *ended)
{
    (void)ended;
    *made = size < OUT_SIZE ? size : OUT_SIZE;
    memcpy(memory, in, *made);
    return *made;
}

/* >>connections ---------------------------------------------------------- */
static void start_accepting(server *s);

static bool sending(const peer *p)
{
    return dx_reactor_op_pending(&p->send_op[0]) || dx_reactor_op_pending(&p->send_op[1]);
}

static void closed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    server *s = p->of;
    (void)r, (void)result, (void)flags;
    free(p);
    if (dx_reactor_op_pending(&s->retry_op)) dx_reactor_cancel(s->r, &s->retry_op); /* a descriptor is free */
}

static void end(peer *p)
{
    if (!dx_reactor_op_pending(&p->close_op)) dx_reactor_close_fd(p->of->r, &p->close_op, p->fd);
}

/* Receive again, unless the answers do not go out. */
static void receive(peer *p)
{
    if (dx_reactor_op_pending(&p->recv_op) || dx_reactor_op_pending(&p->close_op)) return;
    if (dx_reactor_recv(p->of->r, &p->recv_op, p->fd, p->in + p->have, IN_SIZE - p->have) != 0) end(p);
}

/* The answers have gone. Closing now could reset the connection before the peer has read them. */
static void finish(peer *p)
{
    if (!p->rude) {
        end(p);
    } else if (!dx_reactor_op_pending(&p->deadline_op) && !dx_reactor_op_pending(&p->close_op)) {
        p->have = 0;
        shutdown(p->fd, SHUT_WR);
        receive(p);
        if (dx_reactor_deadline(p->of->r, &p->deadline_op, &p->recv_op, 1000000000u) != 0) end(p);
    }
}

static void answer(peer *p)
{
    while (p->have && !p->last && !dx_reactor_op_pending(&p->send_op[p->filling])) {
        uint8_t *out = p->out[p->filling];
        size_t made = 0, used;
        bool ended = false;
        used = (options.plain ? answer_plain : options.http ? answer_http : answer_hbtp)(p->in, p->have, out, &made, &ended);
        p->have -= (uint32_t)used;
        memmove(p->in, p->in + used, p->have);
        if (ended) p->last = p->rude = true;
        if (made && dx_reactor_send(p->of->r, &p->send_op[p->filling], p->fd, out, (uint32_t)made) != 0) end(p);
        if (made) p->filling ^= 1;
        if (!used) break;
    }
    if (p->last) {
        if (!sending(p)) finish(p);
    } else if (!dx_reactor_op_pending(&p->send_op[p->filling]) || !p->have) {
        receive(p);
    }
}

static void sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    (void)r, (void)flags;
    if (dx_reactor_op_pending(&p->close_op)) return;
    if (result < 0) end(p);
    else if (p->last || !dx_reactor_op_pending(&p->recv_op)) answer(p);
}

static void received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    (void)r, (void)flags;
    if (dx_reactor_op_pending(&p->close_op)) return;
    if (result < 0 || (result == 0 && p->rude)) {
        end(p);
    } else if (p->rude) { /* dropped, until the peer ends or a second has passed */
        if (!dx_reactor_op_pending(&p->deadline_op)) end(p);
        else receive(p), dx_reactor_cancel(p->of->r, &p->deadline_op);
    } else if (result == 0) {
        answer(p);
        p->last = true;
        if (!sending(p)) finish(p);
    } else {
        p->have += (uint32_t)result;
        answer(p);
    }
}

static void ignored(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    (void)r, (void)result, (void)flags;
    if (!dx_reactor_op_pending(&p->recv_op)) end(p);
}

static void accepted(dx_reactor *r, dx_op *op, int32_t fd, uint32_t flags)
{
    server *s = (server *)dx_reactor_op_user(op);
    peer *p = fd >= 0 ? (peer *)malloc(sizeof *p) : NULL;
    if (p) {
        memset(p, 0, offsetof(peer, out));
        p->of = s;
        p->fd = fd;
        dx_reactor_op_init(&p->recv_op, received, p);
        dx_reactor_op_init(&p->send_op[0], sent, p);
        dx_reactor_op_init(&p->send_op[1], sent, p);
        dx_reactor_op_init(&p->close_op, closed, p);
        dx_reactor_op_init(&p->deadline_op, ignored, p);
        receive(p);
        s->backoff_ns = 0;
    } else if (fd >= 0) {
        close(fd);
    }
    if (flags & DX_REACTOR_F_MORE) return;
    if (fd >= 0) {
        start_accepting(s);
    } else if (fd != -ECANCELED) { /* out of descriptors, most likely: again when there may be one */
        s->backoff_ns = s->backoff_ns ? s->backoff_ns * 2 : 8000000;
        if (s->backoff_ns > 1000000000) s->backoff_ns = 1000000000;
        dx_reactor_timer(r, &s->retry_op, s->backoff_ns);
    }
}

static void retry(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)result, (void)flags;
    start_accepting((server *)dx_reactor_op_user(op));
}

static void start_accepting(server *s)
{
    dx_reactor_accept_multishot(s->r, &s->accept_op, s->listening);
}

/* >>start ----------------------------------------------------------------- */
static int listen_on(dx_reactor *r, int port, int *fd)
{
    char text[80];
    dx_reactor_address at, bound;
    uint32_t flags = DX_REACTOR_NODELAY | (options.workers > 1 ? DX_REACTOR_REUSEPORT : 0);
    int error;
    snprintf(text, sizeof text, "%s:%d", options.address, port);
    error = dx_reactor_address_parse(&at, text);
    if (!error) error = dx_reactor_listen_tcp(r, &at, flags, 4096, fd, &bound);
    if (!error) options.bound = dx_reactor_address_port(&bound);
    return error;
}

static void serve(dx_reactor *r, server *s, int fd)
{
    s->r = r;
    s->listening = fd;
    dx_reactor_op_init(&s->accept_op, accepted, s);
    dx_reactor_op_init(&s->retry_op, retry, s);
    start_accepting(s);
}

static int begin_worker(dx_reactor_worker *w)
{
    int fd = servers[w->index].listening;
    serve(&w->reactor, &servers[w->index], fd);
    return 0;
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
    if (options.workers > 1) dx_reactor_group_stop(&group);
    else dx_reactor_stop(&alone);
}

static void watch_signals(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
}

static void announce(const dx_reactor *r)
{
    printf("listening on %s:%d, %s, %s, %u worker%s\n", options.address, options.bound,
           dx_reactor_backend_name(r), options.plain ? "plain bytes" : options.http ? "HTTP" : "HBTP", (unsigned)options.workers,
           options.workers > 1 ? "s" : "");
    fflush(stdout);
}

static int failed(const char *what, int error, int number)
{
    fprintf(stderr, "dxecho: %s: %s%s%s\n", what, dx_reactor_error_name(error), number ? ": " : "",
            number ? strerror(number) : "");
    return 1;
}

static int run_group(const dx_reactor_desc *reactor)
{
    dx_reactor_group_desc desc;
    uint32_t i;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.reactor = *reactor;
    desc.workers = options.workers;
    desc.start = begin_worker;
    desc.memory_size = dx_reactor_group_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    for (i = 0; i < options.workers; i++) { /* all before any: a failure is seen here */
        error = listen_on(&alone, i ? options.bound : options.port, &servers[i].listening);
        if (error) return failed("listen", error, errno);
    }
    error = dx_reactor_group_start(&group, &desc);
    if (error) return failed("workers", error, 0);
    watch_signals();
    announce(&dx_reactor_group_worker(&group, 0)->reactor);
    error = dx_reactor_group_join(&group);
    return error ? failed("worker", error, 0) : 0;
}

/* Turn; before sleeping look for a while. */
static int run_alone(dx_reactor_desc *desc)
{
    int error, fd, done = 0;
    desc->memory_size = dx_reactor_memory_size(desc);
    desc->memory = malloc(desc->memory_size);
    error = dx_reactor_open(&alone, desc);
    if (error) {
        if (error == DX_REACTOR_ENOTSUP) fprintf(stderr, "dxecho: %s\n", dx_reactor_refusal(&alone, desc->backend));
        return failed("open", error, dx_reactor_sys_errno(&alone));
    }
    error = listen_on(&alone, options.port, &fd);
    if (error) return failed("listen", error, dx_reactor_sys_errno(&alone));
    serve(&alone, &servers[0], fd);
    watch_signals();
    announce(&alone);
    while (!stopped && done >= 0) {
        uint64_t end_of_spin = options.spin_ns ? dx_reactor_refresh_now_ns(&alone) + options.spin_ns : 0;
        done = 0;
        while (!done && !stopped && options.spin_ns && dx_reactor_now_ns(&alone) < end_of_spin)
            done = dx_reactor_turn(&alone, 0);
        if (!done && !stopped) done = dx_reactor_turn(&alone, DX_REACTOR_FOREVER);
    }
    return done < 0 ? failed("turn", done, dx_reactor_sys_errno(&alone)) : 0;
}

static bool number(const char *text, long least, long most, long *out)
{
    char *rest;
    if (!text || *text < '0' || *text > '9') return false;
    *out = strtol(text, &rest, 10);
    return !*rest && *out >= least && *out <= most;
}

static bool understand(int argc, char **argv)
{
    static const char *const backends[] = {"auto", "io_uring", "epoll"};
    dx_reactor_address any;
    char text[80];
    long n;
    int i, k;
    if (argc < 2 || !number(argv[1], 0, 65535, &n)) return false;
    options.port = (int)n;
    for (i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--http")) {
            options.http = true;
            continue;
        }
        if (!strcmp(argv[i], "--plain")) {
            options.plain = true;
            continue;
        }
        if (!value) return false;
        if (!strcmp(argv[i], "--backend")) {
            for (k = 0; k < 3 && strcmp(value, backends[k]); k++) {}
            if (k == 3) return false;
            options.backend = k;
        } else if (!strcmp(argv[i], "--workers")) {
            if (!number(value, 1, 1024, &n)) return false;
            options.workers = (uint32_t)n;
        } else if (!strcmp(argv[i], "--spin")) {
            if (!number(value, 0, 1000000, &n)) return false;
            options.spin_ns = (uint64_t)n * 1000;
        } else if (!strcmp(argv[i], "--bind")) {
            options.address = value;
        } else {
            return false;
        }
        i++;
    }
    if (snprintf(text, sizeof text, "%s:1", options.address) >= (int)sizeof text) return false;
    return dx_reactor_address_parse(&any, text) == 0 && !(options.spin_ns && options.workers > 1) &&
           !(options.http && options.plain);
}

int main(int argc, char **argv)
{
    dx_reactor_desc desc;
    if (!understand(argc, argv)) {
        fputs("usage: dxecho PORT [--backend auto|io_uring|epoll] [--workers N] [--http | --plain] [--spin US] [--bind ADDRESS]\n"
              "       --spin looks US microseconds before it sleeps, with one worker only\n", stderr);
        return 2;
    }
    memset(&desc, 0, sizeof desc);
    desc.backend = options.backend;
    desc.descriptors_max = 65536;
    desc.pending_max = 4 * 65536;
    desc.queue_entries = 4096;
    desc.budget = 1024;
    return options.workers > 1 ? run_group(&desc) : run_alone(&desc);
}
