/* The peer for HBTP clients in other languages: dx_link.h over real sockets, well-behaved and hostile.
   usage: hbtp_peer serve          prints its port; ends one minute after the start, or when drained
          hbtp_peer publish        the same, and its states have versions
          hbtp_peer dial PORT      calls a server written in another language, and reports errors in its answers */
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../../dx_hbtp.h"
#include "../../layers/dx_link.h"
#include "../../layers/dx_states.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
enum { ECHO = 1, FAIL = 2, SLOW = 3, PUBLISH = 5, DRAIN = 6, CUT = 7, RAW = 8, CANCELS = 9, APPEND = 10, RESTART = 11 }; /* methods */
enum { S_ECHO = 1, S_SOURCE = 2, S_SINK = 3, S_FAIL = 4, S_CANCEL = 5 };                         /* of streams */
enum { WINDOW = 6000, CREDIT = 2000, STREAMS = 64, SLOW_MAX = 256, STATE = 42, DIAL_BYTES = 300000, DIAL_CALLS = 50,
       LOG_MAX = 2000, LOG_KEPT = 5, LOG_VERSIONS = 256 };

typedef struct stream { /* in use if `stream` is nonzero */
    dx_hbtp_session *session;
    uint32_t         stream;
    uint32_t         kind;
    uint32_t         size;   /* bytes[0..size) are to be sent */
    uint32_t         done;   /* sent or received so far */
    uint32_t         total;  /* S_SOURCE: to be sent */
    uint32_t         sum;    /* S_SINK */
    bool             finished; /* by the peer */
    uint8_t          bytes[WINDOW + CREDIT];
} stream;

typedef struct slow { /* a request that is answered when its timer expires */
    dx_op      op;
    dx_link_id id;
    uint16_t   sequence;
    bool       used;
} slow;

static dx_reactor     reactor;
static dx_link        links;
static dx_hbtp_router router;
static dx_hbtp_hub    hub;
static dx_hbtp_hello  hello;
static stream         streams[STREAMS];
static slow           slows[SLOW_MAX];
static dx_states      states;
static dx_states_state journal;    /* an append-only text, known up to LOG_KEPT versions back */
static char           journal_text[LOG_MAX];
static size_t         journal_end[LOG_VERSIONS]; /* of each version */
static uint32_t       cancels;
static bool           drains;  /* the program ends when its links have ended */
static uint32_t       good, wrong; /* of a dialer */

static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 31 + (i >> 8)); }

/* >>methods ------------------------------------------------------------ */
static int on_echo(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

static int on_fail(const dx_hbtp_context *c)
{
    return c->payload_size ? c->payload[0] + 400 : DX_HBTP_ESYS;
}

static void on_slow_time(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    slow *each = (slow *)op->user_data;
    dx_hbtp_session *s = dx_link_session(&links, each->id);
    (void)r, (void)flags;
    each->used = false;
    if (result != -ECANCELED && s) (void)dx_hbtp_reply(s, each->sequence, "slow", 4);
}

/* Milliseconds in its argument. */
static int on_slow(const dx_hbtp_context *c)
{
    for (unsigned i = 0; i < SLOW_MAX; i++) {
        slow *each = &slows[i];
        if (each->used) continue;
        memset(each, 0, sizeof *each);
        each->used = true;
        each->id = dx_link_id_of(c->session);
        each->sequence = c->frame->sequence;
        each->op.fn = on_slow_time;
        each->op.user_data = (uint64_t)(uintptr_t)each;
        (void)dx_reactor_timer(&reactor, &each->op, (c->payload_size ? c->payload[0] : 1) * MS);
        return DX_HBTP_LATER;
    }
    return DX_HBTP_STATUS_UNAVAILABLE;
}

/* Its argument becomes state 42: the whole, or a change if it begins with '+'. */
static int on_publish(const dx_hbtp_context *c)
{
    const bool change = c->payload_size && c->payload[0] == '+';
    (void)dx_hbtp_publish(&hub, STATE, change ? DX_HBTP_OP_STATE_DELTA : DX_HBTP_OP_STATE_SYNC, c->payload, c->payload_size);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

/* Appends its argument to the text of state 42, which thereby gets a new version. */
static int on_append(const dx_hbtp_context *c)
{
    const size_t end = journal_end[journal.version];
    if (c->payload_size > LOG_MAX - end || journal.version + 1 >= LOG_VERSIONS) return DX_HBTP_STATUS_TOO_BIG;
    memcpy(journal_text + end, c->payload, c->payload_size);
    journal_end[journal.version + 1] = end + c->payload_size;
    dx_states_change(&states, &journal);
    (void)dx_states_send(&states, NULL);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

/* As after a restart: the text is there, its history is not. */
static int on_restart(const dx_hbtp_context *c)
{
    journal_end[1] = journal_end[journal.version];
    dx_states_end(&states, &journal);
    dx_states_begin(&journal, STATE, journal.epoch + 1, 1);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

static int find_state(void *user, dx_hbtp_session *s, uint32_t number, dx_states_state **state)
{
    (void)user, (void)s;
    *state = &journal;
    return number == STATE ? 0 : DX_HBTP_STATUS_NOT_FOUND;
}

static int write_state(void *user, dx_states_state *state, uint64_t from, uint8_t *out, size_t capacity, size_t *size)
{
    const bool is_known = from && state->version - from <= LOG_KEPT;
    const size_t begin = is_known ? journal_end[from] : 0;
    (void)user;
    *size = journal_end[state->version] - begin;
    if (*size > capacity) return DX_STATES_ENOSPACE;
    memcpy(out, journal_text + begin, *size);
    return is_known ? DX_STATES_OK : DX_STATES_WHOLE;
}

static void on_wake(void *user, dx_hbtp_session *s)
{
    (void)user;
    (void)dx_link_call_writable(dx_link_of(s), dx_link_id_of(s));
}

static int on_drain(const dx_hbtp_context *c)
{
    const int error = on_echo(c);
    drains |= !error;
    if (!error) dx_link_drain(&links, 5000 * MS);
    return error;
}

static int on_cut(const dx_hbtp_context *c)
{
    (void)dx_link_abort(dx_link_of(c->session), dx_link_id_of(c->session));
    return DX_HBTP_LATER;
}

/* Sends its argument as is, bypassing the session: nonsense, floods, half a frame. */
static int on_raw(const dx_hbtp_context *c)
{
    const int fd = dx_link_fd(dx_link_of(c->session), dx_link_id_of(c->session));
    (void)!send(fd, c->payload, c->payload_size, MSG_NOSIGNAL);
    return DX_HBTP_LATER;
}

static int on_cancels(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, &cancels, 4);
}

static void on_cancel(dx_hbtp_session *s, uint16_t sequence)
{
    (void)s, (void)sequence;
    cancels++;
}

/* >>streams ------------------------------------------------------------ */
/* Refill the output of streams that generate their data. */
static void refill(stream *st)
{
    while (st->kind == S_SOURCE && st->size < sizeof st->bytes && st->done + st->size < st->total) {
        st->bytes[st->size] = pattern(st->done + st->size);
        st->size++;
    }
}

/* Send as much as possible. This may end the stream. */
static void pump(stream *st)
{
    const uint32_t id = st->stream;
    refill(st);
    while (st->stream == id && st->size) {
        const int64_t n = dx_hbtp_send(st->session, id, st->bytes, st->size);
        if (n <= 0) return;
        st->size -= (uint32_t)n;
        memmove(st->bytes, st->bytes + n, st->size);
        if (st->kind == S_SOURCE) st->done += (uint32_t)n;
        if (st->kind == S_ECHO) (void)dx_hbtp_grant(st->session, id, (uint32_t)n);
        refill(st);
    }
    if (st->stream != id) return;
    if (st->kind == S_SOURCE || st->finished) (void)dx_hbtp_finish(st->session, id, st->kind == S_FAIL ? 503 : 0, NULL);
}

static int on_opened(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    stream *st = streams;
    if (e->method < S_ECHO || e->method > S_CANCEL) return DX_HBTP_STATUS_NOT_FOUND;
    if (e->method == S_CANCEL) return DX_HBTP_STATUS_UNAVAILABLE;
    while (st < streams + STREAMS && st->stream) st++;
    if (st == streams + STREAMS) return DX_HBTP_STATUS_TOO_MANY;
    memset(st, 0, sizeof *st - sizeof st->bytes);
    st->session = s;
    st->stream = e->stream;
    st->kind = e->method;
    st->finished = st->kind == S_FAIL;
    if (e->size >= 4) memcpy(&st->total, e->data, 4);
    e->user = st;
    if (st->kind == S_FAIL) memcpy(st->bytes, "some", st->size = 4);
    return dx_hbtp_grant(s, e->stream, WINDOW);
}

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    stream *st;
    if (e->kind == DX_HBTP_STREAM_OPENED) {
        const int result = on_opened(s, e);
        if (!result) pump((stream *)e->user);
        return result;
    }
    st = (stream *)e->user;
    if (!st) return 0;
    if (e->kind == DX_HBTP_STREAM_CHUNK && st->kind == S_ECHO && e->size) {
        if (e->size > sizeof st->bytes - st->size) return DX_HBTP_STATUS_INTERNAL; /* more than its credit */
        memcpy(st->bytes + st->size, e->data, e->size);
        st->size += (uint32_t)e->size;
    } else if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        for (size_t i = 0; i < e->size; i++) st->sum = st->sum * 31 + e->data[i];
        st->done += st->kind == S_SINK ? (uint32_t)e->size : 0;
        (void)dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
    }
    if (e->kind == DX_HBTP_STREAM_FINISHED && st->kind == S_SINK) {
        memcpy(st->bytes, &st->done, 4);
        memcpy(st->bytes + 4, &st->sum, 4);
        st->size = 8;
    }
    st->finished |= e->kind == DX_HBTP_STREAM_FINISHED;
    if (e->kind == DX_HBTP_STREAM_ENDED) st->stream = 0;
    else pump(st);
    return 0;
}

static void on_writable(dx_link *l, dx_link_id id)
{
    dx_hbtp_session *s = dx_link_session(l, id);
    if (journal.epoch) (void)dx_states_send(&states, s);
    for (unsigned i = 0; i < STREAMS; i++)
        if (streams[i].stream && streams[i].session == s) pump(&streams[i]);
}

/* >>dialer ------------------------------------------------------------- */
static void check(bool right, const char *what)
{
    if (right) good++;
    else wrong++;
    if (!right) printf("wrong: %s\n", what);
}

/* The longest operations: the stream, and the call whose deadline passes. It closes after both. */
static void leave(dx_hbtp_session *s)
{
    static unsigned count;
    if (++count == 2) (void)dx_link_close(&links, dx_link_id_of(s), 0, NULL);
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    const uintptr_t number = (uintptr_t)r->user;
    uint32_t sent = (uint32_t)number;
    if (number < DIAL_CALLS) check(!r->error && r->payload_size == 4 && !memcmp(r->payload, &sent, 4), "an echo");
    if (number == 1000) check(r->error == DX_HBTP_EREMOTE && r->status == 500, "a handler that raises");
    if (number == 1001) check(r->error == DX_HBTP_EREMOTE && r->status == 404, "no such method");
    if (number == 1002) check(r->error == DX_HBTP_ETIMEDOUT, "a deadline");
    if (number == 1003) check(r->error == DX_HBTP_EREMOTE && r->status == 418, "a status of the program");
    if (number == 1002) leave(s);
}

/* A dialer's stream: its data is echoed. */
static int on_dialed_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    static uint32_t sent, came;
    uint8_t bytes[1000];
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        for (size_t i = 0; i < e->size; i++, came++)
            if (e->data[i] != pattern(came)) check(false, "a byte of a stream");
        (void)dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
    }
    if (e->kind == DX_HBTP_STREAM_CHUNK) {
        int64_t n = 1;
        while (sent < DIAL_BYTES && n > 0) {
            for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = pattern(sent + i);
            n = dx_hbtp_send(s, e->stream, bytes, sizeof bytes < DIAL_BYTES - sent ? sizeof bytes : DIAL_BYTES - sent);
            sent += n > 0 ? (uint32_t)n : 0;
        }
        if (sent == DIAL_BYTES) (void)dx_hbtp_finish(s, e->stream, 0, NULL);
    }
    if (e->kind == DX_HBTP_STREAM_ENDED) {
        check(!e->error && came == DIAL_BYTES, "a stream");
        leave(s);
    }
    return 0;
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    const uint64_t soon = dx_reactor_now_ns(&reactor) + 300 * MS;
    uint32_t stream;
    (void)frame;
    if (event != DX_HBTP_EVENT_HELLO) return;
    check(s->peer.version == 2, "version 2");
    for (uint32_t i = 0; i < DIAL_CALLS; i++) check(!dx_hbtp_call(s, ECHO, &i, 4, UINT64_MAX, (void *)(uintptr_t)i, NULL), "a call");
    (void)dx_hbtp_call(s, FAIL, NULL, 0, UINT64_MAX, (void *)(uintptr_t)1000, NULL);
    (void)dx_hbtp_call(s, 99, NULL, 0, UINT64_MAX, (void *)(uintptr_t)1001, NULL);
    (void)dx_hbtp_call(s, SLOW, NULL, 0, soon, (void *)(uintptr_t)1002, NULL);
    (void)dx_hbtp_call(s, FAIL, "\x12", 1, UINT64_MAX, (void *)(uintptr_t)1003, NULL);
    check(!dx_hbtp_open(s, S_ECHO, NULL, 0, WINDOW, NULL, &stream), "a stream opens");
}

/* >>main --------------------------------------------------------------- */
static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    (void)reason;
    if (journal.epoch) dx_states_leave(&states, dx_link_session(l, id));
    if ((drains && l->count == 1) || l->desc.hello) dx_reactor_stop(&reactor); /* the last, which is still counted */
}

static void set_routes(void)
{
    static dx_hbtp_hub_desc desc;
    static uint64_t memory[1024];
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    (void)dx_hbtp_hub_init(&hub, &desc);
    (void)dx_hbtp_router_init(&router);
    (void)dx_hbtp_router_set(&router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &hello);
    (void)dx_hbtp_router_set(&router, DX_HBTP_OP_STATE_SUBSCRIBE, dx_hbtp_hub_handler, &hub);
    (void)dx_hbtp_router_set(&router, DX_HBTP_OP_STATE_UNSUBSCRIBE, dx_hbtp_hub_handler, &hub);
    (void)dx_hbtp_router_set_method(&router, ECHO, on_echo, NULL);
    (void)dx_hbtp_router_set_method(&router, FAIL, on_fail, NULL);
    (void)dx_hbtp_router_set_method(&router, SLOW, on_slow, NULL);
    (void)dx_hbtp_router_set_method(&router, PUBLISH, on_publish, NULL);
    (void)dx_hbtp_router_set_method(&router, DRAIN, on_drain, NULL);
    (void)dx_hbtp_router_set_method(&router, CUT, on_cut, NULL);
    (void)dx_hbtp_router_set_method(&router, RAW, on_raw, NULL);
    (void)dx_hbtp_router_set_method(&router, CANCELS, on_cancels, NULL);
}

/* States have versions. */
static void publish(void)
{
    static uint64_t memory[56 / 8 * 64];
    static uint8_t scratch[LOG_MAX + DX_STATES_HEAD_SIZE];
    dx_states_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.scratch = scratch;
    desc.scratch_size = sizeof scratch;
    desc.find = find_state;
    desc.write = write_state;
    desc.wake = on_wake;
    if (dx_states_init(&states, &desc)) abort();
    dx_states_begin(&journal, STATE, UINT64_C(0xfedcba9876543210), 1);
    hello.features = DX_HBTP_FEATURE_RESUME;
    (void)dx_hbtp_router_set(&router, DX_HBTP_OP_STATE_SUBSCRIBE, dx_states_handler, &states);
    (void)dx_hbtp_router_set(&router, DX_HBTP_OP_STATE_UNSUBSCRIBE, dx_states_handler, &states);
    (void)dx_hbtp_router_set_method(&router, APPEND, on_append, NULL);
    (void)dx_hbtp_router_set_method(&router, RESTART, on_restart, NULL);
}

int main(int argc, char **argv)
{
    static uint64_t memory[1 << 16];
    const bool dials = argc == 3 && !strcmp(argv[1], "dial");
    char text[64] = "127.0.0.1:0";
    dx_reactor_address at;
    dx_reactor_desc desc;
    dx_link_desc d;
    dx_link_id id;
    int listening;
    const bool publishes = argc == 2 && !strcmp(argv[1], "publish");
    if (!dials && !publishes && !(argc == 2 && !strcmp(argv[1], "serve"))) return 2;
    alarm(60);
    (void)signal(SIGPIPE, SIG_IGN);
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.buffer_count = 8;
    desc.pending_max = 1024;
    memset(&d, 0, sizeof d);
    set_routes();
    if (publishes) publish();
    hello.credit = CREDIT;
    d.links_max = 8;
    d.block_count = 64;
    d.writable = on_writable;
    d.closed = on_closed;
    d.hello = dials ? &hello : NULL;
    d.session.router = &router;
    d.session.streams_max = 8;
    d.session.on_stream = dials ? on_dialed_stream : on_stream;
    d.session.on_cancel = on_cancel;
    d.session.on_result = on_result;
    d.session.on_event = dials ? on_event : NULL;
    d.session.outstanding_max = 128;
    d.memory_size = dx_link_memory_size(&d);
    d.memory = malloc(d.memory_size);
    if (dials) (void)snprintf(text, sizeof text, "127.0.0.1:%s", argv[2]);
    if (!d.memory || dx_reactor_address_parse(&at, text) || dx_reactor_open(&reactor, &desc)) return 1;
    if (dx_link_open(&links, &reactor, &d)) return 1;
    if (dials) {
        if (dx_link_connect(&links, &at, &id)) return 1;
    } else {
        if (dx_reactor_listen(&reactor, &at, 0, 0, &listening, &at) || dx_link_listen(&links, listening)) return 1;
        (void)dx_reactor_address_format(&at, text, sizeof text);
        puts(text);
        (void)fflush(stdout);
    }
    (void)dx_reactor_run(&reactor);
    if (dials) printf("%u right, %u wrong\n", good, wrong);
    (void)dx_reactor_close(&reactor);
    free(d.memory);
    return wrong != 0 || (dials && good < DIAL_CALLS * 2 + 5);
}
