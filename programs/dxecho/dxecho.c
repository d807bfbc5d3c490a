/* dxecho: a server for load generators. It answers HBTP (Ping with Pong, RpcCall with RpcResponse),
   HTTP/1.1, or any bytes with the same bytes.

       make build/dxecho                     (build/windows/dxecho.exe: make windows)

       dxecho PORT [--backend auto|io_uring|epoll|iocp] [--workers N] [--http | --plain]
              [--spin US] [--bind ADDRESS] [--connections N] [--idle SECONDS]

   --plain        echo: send back the bytes that arrive
   --connections  limit of each worker (65536); docs/reactor.md has the cost of one
   --idle         seconds (60) after which a connection is closed on which no byte moves, or whose
                  request is still incomplete. When half of the buffers hold incomplete requests, a
                  connection that sends a further one is closed at once, so that slow senders
                  cannot lock out the others.

   It prints one line when it listens; with PORT 0 the system chooses the port. SIGTERM or SIGINT
   end it (Ctrl-C on Windows): it accepts no more connections, sends pending answers for at most a
   second, and exits with status 0. Exit status 5: the system refused something, such as a port in
   use; 1: wrong arguments, as in dxup. On Windows there is one worker, because listeners cannot
   share a port.

       connection --received()--> options.answer() --> the connection's output buffer
                                  answer_hbtp, answer_http, answer_plain

   Stands on ../../layers/dx_peers.h, which owns connections and buffers, and on ../common/. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../dx_reactor.h"
#include "../../layers/dx_peers.h"
#include "../common/backend.h"
#include "../common/common.h"
#include "../common/http.h"
#include "../common/options.h"
#include "../common/os.h"
#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
  #include <sys/socket.h>
#endif

enum {
    PAYLOAD_MAX = 65536,
    ANSWER_ROOM = 512,                           /* besides the bytes of the request: heads, errors */
    BLOCK_SIZE  = 2 * PAYLOAD_MAX + ANSWER_ROOM, /* of output */
    BLOCKS      = 1024,                          /* per worker */
    BATCH       = 256,                           /* frames parsed at once */
    ERROR_SIZE  = 256                            /* size of the largest refusal */
};

typedef struct server {
    dx_peers peers;
    int      listening; /* descriptor */
    uint32_t halves;    /* connections with an incomplete request */
} server;

/* The user data of a connection: 0; ENDED (input is ignored); or the time in ns at which its
   incomplete request began. */
enum { ENDED = 1 };

/* Write the answers to all complete requests that fit into out. Returns the bytes consumed; *made:
   bytes written; *ended: close the connection after them. */
typedef size_t answer_fn(const uint8_t *in, size_t size, uint8_t *out, size_t capacity,
                         size_t *made, bool *ended);

static struct settings {
    int         port;
    int         bound;       /* the port in use */
    int         backend;     /* of dx_reactor.h */
    uint32_t    workers;
    uint32_t    connections; /* limit of each worker */
    bool        http;
    bool        plain;
    uint64_t    spin_ns;     /* busy polling before each sleep */
    uint64_t    idle_ns;
    const char *address;
    const char *backend_name; /* as given */
    answer_fn  *answer;
} options = {
    .backend = DX_REACTOR_BACKEND_AUTO,
    .workers = 1,
    .connections = 65536,
    .idle_ns = 60000000000u,
    .address = "127.0.0.1",
    .backend_name = "auto",
};

#if defined(_WIN32)
enum { WORKERS_MAX = 1 };
#else
enum { WORKERS_MAX = 1024 };
static dx_reactor_group group;
#endif
static dx_reactor       alone;
static server           servers[WORKERS_MAX];
static volatile sig_atomic_t stopped;

/* >>answers ------------------------------------------------------------- */
/* Is it a request other than Ping and RpcCall? It is refused; frames that are no request are
   ignored (docs/formats/hbtp.md, 2). */
static bool is_other_request(const dx_hbtp_descriptor *d)
{
    switch (d->opcode) {
    case DX_HBTP_OP_RPC_STREAM_START: return true;
    case DX_HBTP_OP_PONG:
    case DX_HBTP_OP_RPC_RESPONSE:
    case DX_HBTP_OP_RPC_ERROR:
    case DX_HBTP_OP_RPC_STREAM_CHUNK:
    case DX_HBTP_OP_RPC_STREAM_END: return false;
    default: return (d->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE) != 0;
    }
}

/* Answer one frame. False: no room. */
static bool answer_frame(dx_hbtp_out *out, const dx_hbtp_descriptor *d, const uint8_t *payload)
{
    const bool mirrored = d->opcode == DX_HBTP_OP_PING || d->opcode == DX_HBTP_OP_RPC_CALL;
    uint8_t flags = d->flags & DX_HBTP_FLAG_HAS_CHECKSUM;
    if (d->opcode == DX_HBTP_OP_CLOSE)
        return dx_hbtp_write_close(out, DX_HBTP_STATUS_NONE, NULL) == 0;
    if (!mirrored && !is_other_request(d)) return true;
    if (d->flags & (DX_HBTP_FLAG_COMPRESSED | DX_HBTP_FLAG_ENCRYPTED))
        return dx_hbtp_write_rpc_error(out, d->sequence, DX_HBTP_STATUS_UNSUPPORTED, NULL) == 0;
    switch (d->opcode) {
    case DX_HBTP_OP_PING:
        return dx_hbtp_write_frame(out, DX_HBTP_OP_PONG, flags, d->sequence, payload,
                                   d->payload_size) == 0;
    case DX_HBTP_OP_RPC_CALL:
        return dx_hbtp_write_frame(out, DX_HBTP_OP_RPC_RESPONSE, flags, d->sequence, payload,
                                   d->payload_size) == 0;
    default:
        return dx_hbtp_write_rpc_error(out, d->sequence, DX_HBTP_STATUS_NOT_FOUND, NULL) == 0;
    }
}

/* Is the answer the same bytes with the next opcode? Then mirror() copies instead of encoding. */
static bool is_mirrored(const dx_hbtp_descriptor *d)
{
    return d->flags == 0 && (d->opcode == DX_HBTP_OP_PING || d->opcode == DX_HBTP_OP_RPC_CALL);
}

/* Answer a run of such frames with one copy. Returns how many of `count` were answered: those
   before another kind of frame, as far as they fit. */
static size_t mirror(const uint8_t *in, const dx_hbtp_descriptor *frames, size_t count,
                     uint8_t *out, size_t capacity, size_t *made)
{
    const size_t begin = frames[0].payload_offset - DX_HBTP_HEADER_SIZE;
    size_t end = begin, i, k;
    assert(count > 0 && is_mirrored(&frames[0]));
    for (i = 0; i < count && is_mirrored(&frames[i]); i++) {
        const size_t next = (size_t)frames[i].payload_offset + frames[i].payload_size;
        if (next - begin > capacity) break;
        end = next;
    }
    memcpy(out, in + begin, end - begin);
    for (k = 0; k < i; k++)
        out[frames[k].payload_offset - DX_HBTP_HEADER_SIZE - begin] =
            (uint8_t)(frames[k].opcode + 1);
    *made = end - begin;
    assert(*made <= capacity);
    return i;
}

/* Frames are parsed in batches. If an answer does not fit, the frames from there on are parsed
   again when there is room. A malformed frame ends the connection, after RpcError and Close. */
static size_t answer_hbtp(const uint8_t *in, size_t size, uint8_t *memory, size_t capacity,
                          size_t *made, bool *ended)
{
    dx_hbtp_descriptor frames[BATCH];
    dx_hbtp_out out;
    size_t at = 0, count, i, more;
    int64_t used = 1;
    bool room = true;
    *made = 0;
    while (room && !*ended && used > 0 && at < size) {
        used = dx_hbtp_parse_batch(in + at, size - at, PAYLOAD_MAX, frames, BATCH, &count);
        if (used < 0) {
            dx_hbtp_frame bad;
            uint16_t status = used == DX_HBTP_ETOOBIG ? DX_HBTP_STATUS_TOO_BIG
                                                      : DX_HBTP_STATUS_BAD_REQUEST;
            dx_hbtp_parse(in + at, size - at, PAYLOAD_MAX, &bad);
            if (capacity - *made < ERROR_SIZE) break; /* refuse it in the next buffer */
            dx_hbtp_out_init(&out, memory + *made, capacity - *made);
            dx_hbtp_write_rpc_error(&out, bad.sequence, status, NULL);
            dx_hbtp_write_close(&out, status, NULL);
            dx_hbtp_out_data(&out, &more);
            *made += more;
            *ended = true;
            return size;
        }
        for (i = 0; i < count && room && !*ended;) {
            size_t run = is_mirrored(&frames[i]) ? mirror(in + at, &frames[i], count - i,
                                                          memory + *made, capacity - *made, &more)
                                                 : 0;
            if (run == 0) {
                dx_hbtp_out_init(&out, memory + *made, capacity - *made);
                room = capacity > *made &&
                       answer_frame(&out, &frames[i], in + at + frames[i].payload_offset);
                dx_hbtp_out_data(&out, &more);
                *ended = room && frames[i].opcode == DX_HBTP_OP_CLOSE;
                run = room;
            }
            if (room) *made += more;
            i += run;
        }
        if (i < count && !*ended) used = frames[i].payload_offset - DX_HBTP_HEADER_SIZE;
        at += (size_t)used;
        assert(at <= size && *made <= capacity);
    }
    return at;
}

/* "ok" to every request. A refused one ends the connection. */
static size_t answer_http(const uint8_t *in, size_t size, uint8_t *memory, size_t capacity,
                          size_t *made, bool *ended)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    size_t at = 0, n;
    http_request q;
    *made = 0;
    while (!*ended && capacity - *made >= ERROR_SIZE) {
        n = http_parse(in + at, size - at, &q);
        if (!n) break;
        at += n;
        *ended = q.close;
        if (q.status == 200 && !q.close) {
            memcpy(memory + *made, ok, sizeof ok - 1);
            *made += sizeof ok - 1 - (q.head ? 2 : 0);
        } else {
            *made += (size_t)snprintf(
                (char *)memory + *made, ERROR_SIZE,
                "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s%s\r\n%s",
                q.status, q.status == 200 ? "OK" : "Refused", q.status == 200 ? 2 : 0,
                q.status == 405 ? "Allow: GET, HEAD\r\n" : "", "Connection: close\r\n",
                q.status == 200 && !q.head ? "ok" : "");
        }
        assert(*made <= capacity);
    }
    return at;
}

static size_t answer_plain(const uint8_t *in, size_t size, uint8_t *memory, size_t capacity,
                           size_t *made, bool *ended)
{
    (void)ended;
    *made = size < capacity ? size : capacity;
    memcpy(memory, in, *made);
    return *made;
}

/* >>connections ---------------------------------------------------------- */
static server *server_of(dx_peers *s) { return (server *)s->desc.user; }

/* Track a connection whose request is incomplete (left); progress: another request was completed.
   False: it took too long, or there are too many such connections, so close this one. */
static bool watch(dx_peers *s, uint64_t *word, bool left, bool progress)
{
    const uint64_t now = dx_reactor_now_ns(s->reactor) | 2; /* neither 0 nor ENDED */
    server *mine = server_of(s);
    assert(*word != ENDED);
    if (*word && (!left || progress)) {
        assert(mine->halves > 0);
        *word = 0;
        mine->halves--;
    }
    if (!left) return true;
    if (*word) return now - *word < options.idle_ns;
    if (mine->halves >= BLOCKS / 2) return false;
    mine->halves++;
    *word = now;
    return true;
}

/* A connection was closed. */
static void forget(dx_peers *s, dx_peers_id id, int32_t reason)
{
    const uint64_t word = *dx_peers_data(s, id);
    (void)reason;
    assert(word <= ENDED || server_of(s)->halves > 0);
    if (word > ENDED) server_of(s)->halves--;
}

/* Answer received bytes; returns how many were consumed. After a refusal further input is
   discarded: closing at once could reset the connection before the peer has read the refusal. */
static size_t received(dx_peers *s, dx_peers_id id, const uint8_t *in, size_t size, bool last)
{
    uint64_t *word = dx_peers_data(s, id);
    size_t at = 0, used = 1;
    bool ended = *word == ENDED, waits = false;
    if (ended) return size;
    while (at < size && used && !ended) {
        size_t made = 0, room = size - at + ANSWER_ROOM;
        uint8_t *out;
        if (room > BLOCK_SIZE) room = BLOCK_SIZE;
        waits = dx_peers_reserve(s, id, (uint32_t)room, &out) != 0;
        if (waits) break; /* no buffer is free: dx_peers calls again with the same bytes */
        used = options.answer(in + at, size - at, out, room, &made, &ended);
        assert(made <= room && used <= size - at);
        dx_peers_commit(s, id, (uint32_t)made);
        at += used;
    }
    if (!watch(s, word, at < size && !waits && !ended, at > 0)) {
        dx_peers_close(s, id, true);
        return size;
    }
    if (ended) *word = ENDED;
    if (ended || last) dx_peers_close(s, id, false);
    return ended ? size : at;
}

/* >>start ----------------------------------------------------------------- */
/* Listen on a port. first: no other process may have it. Otherwise another listener of this process
   has it already, see run_group(). */
static int listen_on(dx_reactor *r, int port, bool first, int *fd)
{
    char text[80];
    dx_reactor_address at, bound;
    uint32_t flags = DX_REACTOR_NODELAY | (first ? 0 : DX_REACTOR_REUSEPORT);
    int error;
    snprintf(text, sizeof text, "%s:%d", options.address, port);
    error = dx_reactor_address_parse(&at, text);
    if (!error) error = dx_reactor_listen(r, &at, flags, 4096, fd, &bound);
    if (!error) options.bound = dx_reactor_address_port(&bound);
    return error;
}

/* Open the connections of a worker and listen. Its memory is never freed: the process ends with
   it. */
static int serve(dx_reactor *r, server *s)
{
    dx_peers_desc desc;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.peers_max = options.connections;
    desc.block_count = BLOCKS;
    desc.idle_ns = options.idle_ns;
    desc.block_size = BLOCK_SIZE;
    desc.linger_ns = 1000000000;
    desc.received = received;
    desc.closed = forget;
    desc.user = s;
    desc.memory_size = dx_peers_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    assert(options.answer && options.connections > 0);
    error = dx_peers_open(&s->peers, r, &desc);
    return error ? error : dx_peers_listen(&s->peers, s->listening);
}

/* Stop accepting, and send pending answers for at most a second. */
static void drain(dx_reactor *r, server *s)
{
    dx_peers_drain(&s->peers, 1000000000);
    while (s->peers.count && dx_reactor_run_once(r, DX_REACTOR_FOREVER) >= 0) {}
    assert(!s->halves || s->peers.count);
}

/* >>stopping --------------------------------------------------------------- */
#if defined(_WIN32)
static BOOL WINAPI on_console(DWORD event)
{
    stopped = 1;
    dx_reactor_stop(&alone);
    /* the window closes: Windows ends the process when this returns, so leave time to drain */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(2000);
    return TRUE;
}

static void watch_signals(void)
{
    SetConsoleCtrlHandler(on_console, TRUE);
}
#else
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
#endif

/* The line that scripts wait for. */
static void announce(const dx_reactor *r)
{
    assert(options.bound > 0);
    const char *protocol = "HBTP";
    if (options.http) protocol = "HTTP";
    if (options.plain) protocol = "plain bytes";
    prog_say("listening on %s:%d, %s, %s, %u worker%s\n", options.address, options.bound,
             dx_reactor_backend_name(r), protocol, (unsigned)options.workers,
             options.workers > 1 ? "s" : "");
    fflush(stdout);
}

/* Print an error of dx_reactor.h. number: errno, or 0. */
static int failed(const char *what, int error, int number)
{
    assert(error);
    return prog_fail(PROG_SYSTEM, "%s: %s%s%s", what, dx_reactor_error_name(error),
                     number ? ": " : "", number ? os_error_text(number) : "");
}

#if !defined(_WIN32)
static int begin_worker(dx_reactor_worker *w)
{
    return serve(&w->reactor, &servers[w->index]);
}

static void end_worker(dx_reactor_worker *w)
{
    drain(&w->reactor, &servers[w->index]);
}

/* Several workers, each a thread with its own listener on the same port. */
static int run_group(const dx_reactor_desc *reactor)
{
    dx_reactor_group_desc desc;
    uint32_t i;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.reactor = *reactor;
    desc.workers = options.workers;
    desc.start = begin_worker;
    desc.stop = end_worker;
    for (i = 0; i < options.workers; i++) { /* before any thread starts: errors are reported here */
        error = listen_on(&alone, i ? options.bound : options.port, i == 0, &servers[i].listening);
        /* The first listener took the port exclusively; from here on the others may share it. */
        if (!error && i == 0 && os_share_port(servers[i].listening) < 0) error = DX_REACTOR_ESYS;
        if (error) return failed("cannot listen", error, errno);
    }
    desc.memory_size = dx_reactor_group_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    error = dx_reactor_group_start(&group, &desc);
    if (error) return failed("cannot start the workers", error, 0);
    watch_signals();
    announce(&dx_reactor_group_worker(&group, 0)->reactor);
    error = dx_reactor_group_join(&group);
    return error ? failed("the event loop of a worker failed", error, 0) : 0;
}
#endif

/* One worker, on this thread. With --spin it polls for a while before it sleeps. */
static int run_alone(dx_reactor_desc *desc)
{
    int error, done = 0;
    desc->memory_size = dx_reactor_memory_size(desc);
    desc->memory = malloc(desc->memory_size);
    error = dx_reactor_open(&alone, desc);
    if (error) {
        if (error == DX_REACTOR_ENOTSUP) prog_warn("%s", dx_reactor_refusal(&alone, desc->backend));
        return failed("cannot open the event loop", error, dx_reactor_sys_errno(&alone));
    }
    error = listen_on(&alone, options.port, true, &servers[0].listening);
    if (!error) error = serve(&alone, &servers[0]);
    if (error) return failed("cannot listen", error, dx_reactor_sys_errno(&alone));
    watch_signals();
    announce(&alone);
    while (!stopped && done >= 0) {
        uint64_t end_of_spin = 0;
        if (options.spin_ns) end_of_spin = dx_reactor_refresh_now_ns(&alone) + options.spin_ns;
        done = 0;
        while (!done && !stopped && options.spin_ns && dx_reactor_now_ns(&alone) < end_of_spin)
            done = dx_reactor_run_once(&alone, 0);
        if (!done && !stopped) done = dx_reactor_run_once(&alone, DX_REACTOR_FOREVER);
    }
    if (done < 0) return failed("the event loop failed", done, dx_reactor_sys_errno(&alone));
    drain(&alone, &servers[0]);
    return dx_reactor_close(&alone) ? PROG_SYSTEM : PROG_OK;
}

static const prog_command command = {
    .arguments = "PORT",
    .summary = "Answer every request, for load generators and tests",
    .details = "It answers HBTP, or HTTP/1.1 with --http, or sends back every byte with --plain.\n"
               "With port 0 the system chooses the port; the first line of output names it.",
    .examples = "dxecho 7003 --http --workers 2",
};

#define FIELD(name) PROG_FIELD(struct settings, name)

static const prog_option table[] = {
    {"--http", PROG_OPTION_FLAG, FIELD(http), .help = "answer HTTP/1.1"},
    {"--plain", PROG_OPTION_FLAG, FIELD(plain), .help = "send back every byte"},
    {"--bind", PROG_OPTION_TEXT, FIELD(address), .value = "ADDRESS",
     .help = "numeric address to listen on (default 127.0.0.1)"},
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = WORKERS_MAX, .value = "N",
     .help = "threads (default 1)"},
    {"--connections", PROG_OPTION_NUMBER, FIELD(connections), .min = 1, .max = 1 << 24,
     .value = "N", .help = "limit for each worker (default 65536)"},
    {"--idle", PROG_OPTION_NUMBER, FIELD(idle_ns), .min = 1, .max = 1000, .unit = 1000000000,
     .value = "SECONDS", .help = "close a connection that was idle this long (default\n60)"},
    {"--spin", PROG_OPTION_NUMBER, FIELD(spin_ns), .max = 1000000, .unit = 1000, .value = "US",
     .help = "poll for US microseconds before each sleep; needs\n--workers 1"},
    {"--backend", PROG_OPTION_TEXT, FIELD(backend_name), .value = "NAME",
     .choices = PROG_BACKENDS,
     .help = "event loop: auto, io_uring, epoll, kqueue, iocp"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage error: an invalid option or argument"},
    {PROG_SYSTEM, 0, "system error: port in use, out of memory or descriptors"},
};

static const prog_program program = {
    .name = "dxecho",
    .summary = "a server that answers every request, for load generators",
    .about = "dxecho answers every request of HBTP, HTTP/1.1 or plain bytes.",
    .version = DX_REACTOR_VERSION,
    .commands = &command,
    .command_count = 1,
    .options = table,
    .option_count = sizeof table / sizeof *table,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};

/* Fill options. argv begins after the program's name. */
static int parse(int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX], text[80];
    uint64_t port = 0;
    dx_reactor_address any;
    int status = prog_arguments_parse(&program, 0, argc, argv, &options, plain);
    if (!status) status = prog_parse_number("PORT", plain[0], 0, 65535, &port);
    if (!status) status = prog_backend(options.backend_name, &options.backend);
    if (status) return status;
    options.port = (int)port;
    options.answer = answer_hbtp;
    if (options.http) options.answer = answer_http;
    if (options.plain) options.answer = answer_plain;
    if (snprintf(text, sizeof text, "%s:1", options.address) >= (int)sizeof text ||
        dx_reactor_address_parse(&any, text))
        return prog_fail(PROG_USAGE, "--bind: '%s' is not a numeric address", options.address);
    if (options.spin_ns && options.workers > 1)
        return prog_fail(PROG_USAGE, "--spin needs --workers 1");
    if (options.http && options.plain)
        return prog_fail(PROG_USAGE, "--http and --plain exclude each other");
    return PROG_OK;
}

int main(int argc, char **argv)
{
    dx_reactor_desc desc;
    prog_begin("dxecho", &argc, &argv);
    int chosen, status = prog_choose(&program, argc, argv, &chosen);
    if (status || chosen < 0) return prog_end(status);
    status = parse(argc - 1, argv + 1);
    if (status) return status;
    memset(&desc, 0, sizeof desc);
    desc.backend = options.backend;
    desc.descriptors_max = options.connections + 8;
    desc.pending_max = 3 * options.connections + 16;
    desc.queue_entries = 4096;
    desc.budget = 1024;
    desc.buffer_count = 256;
    /* few and large: received bytes are still in the CPU cache when they are sent */
    desc.buffer_size = 131072;
    desc.buffers_per_op = 4;
#if !defined(_WIN32)
    if (options.workers > 1) return run_group(&desc);
#endif
    return run_alone(&desc);
}
