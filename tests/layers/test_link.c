/* HBTP over the reactor: on every backend of this system with real sockets, whose other end is a link or a misbehaving
   plain socket; and a model on the simulated system. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../../dx_hbtp.h"
#include "../../layers/dx_link.h"
#include "../dx_reactor_sim.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <malloc.h>
#include <sys/socket.h>

#include "../cores/reactor_kit.h"

/* >>world --------------------------------------------------------------

   Links of both sides on one reactor: a server with a few methods, and its clients. */
enum { ECHO = 1, LATER = 2, WAIT = 3, WHOLE = 4, OWN = 9 }; /* methods of the server; OWN: of a test */

typedef struct world {
    loop               l;
    dx_link            server;
    dx_link            client;
    dx_link_desc       d;
    dx_hbtp_router     router;
    dx_reactor_address at;
    int                listening;
    uint32_t           opened, closed;   /* of the server */
    uint32_t           hung;             /* of the client */
    uint32_t           writable;
    int32_t            reason, client_reason; /* the last */
    dx_link_id         id;               /* of the server's last link */
    uint32_t           results, good;
    int                error;            /* of the last result */
    uint32_t           unbegun;          /* results with status 503 */
    uint8_t            last[64];         /* its bytes */
    size_t             last_size;
    uint16_t           later[64];        /* requests that are answered when the test decides */
    uint32_t           later_count;
    bool               ready;            /* WAIT may complete */
    uint32_t           tries;            /* of it */
    uint64_t           received, sent;   /* of streams */
    dx_hbtp_hello      hello;
    bool               greets;           /* the server supports version 2 */
    bool               busy;             /* the client calls again as soon as it gets an answer */
    uint64_t           deadline_ns;      /* of the last call, as received by the server */
    uint32_t           events[2][16];    /* of the server, of the client */
    uint32_t           finished;
    void             (*opening)(dx_link *l, dx_link_id id); /* NULL: note_opened */
    uint32_t           limit;            /* of a growing window; 0: on_stream grants by itself */
    uint32_t           stream, unread;   /* of it; the test reads */
    dx_window          window;
} world;

static world *now_open; /* a failing test leaves by longjmp */

static world *world_of(const dx_hbtp_session *s) { return (world *)dx_link_of(s)->desc.user; }

static int on_echo(const dx_hbtp_context *c)
{
    if (c->user) ((world *)c->user)->deadline_ns = c->deadline_ns;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

static int on_later(const dx_hbtp_context *c)
{
    world *w = world_of(c->session);
    w->later[w->later_count++ % 64] = c->frame->sequence;
    return DX_HBTP_LATER;
}

static int on_wait(const dx_hbtp_context *c)
{
    world *w = world_of(c->session);
    w->tries++;
    return w->ready ? on_echo(c) : (int)DX_HBTP_EAGAIN;
}

static int on_whole(const dx_hbtp_context *c) /* the largest answer that could ever fit */
{
    static const uint8_t nothing[3000] = {0};
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, nothing, sizeof nothing);
}

static uint8_t pattern(uint64_t i) { return (uint8_t)(i * 31 + (i >> 8)); }

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    world *w = world_of(s);
    if (e->kind == DX_HBTP_STREAM_OPENED && w->limit) {
        w->stream = e->stream;
        return dx_link_window(s, e->stream, &w->window, w->hello.credit, w->limit);
    }
    if (e->kind == DX_HBTP_STREAM_OPENED) return dx_hbtp_grant(s, e->stream, 4000);
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        for (size_t i = 0; i < e->size; i++) DX_CHECK_EQ(e->data[i], pattern(w->received + i));
        w->received += e->size;
        if (w->limit) {
            w->unread += (uint32_t)e->size;
            return dx_link_arrived(s, &w->window, e->size);
        }
        return dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
    }
    if (e->kind == DX_HBTP_STREAM_FINISHED) w->finished++;
    return 0;
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    world *w = world_of(s);
    w->results++;
    w->good += !r->error;
    w->error = r->error;
    w->unbegun += r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_UNAVAILABLE;
    w->last_size = r->payload_size < sizeof w->last ? r->payload_size : sizeof w->last;
    if (r->payload) memcpy(w->last, r->payload, w->last_size);
    if (w->busy) (void)dx_hbtp_call(s, ECHO, "again", 5, UINT64_MAX, NULL, NULL);
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    world *w = world_of(s);
    (void)frame;
    w->events[dx_link_of(s) == &w->client][event]++;
}

static void note_opened(dx_link *l, dx_link_id id)
{
    world *w = (world *)l->desc.user;
    DX_CHECK(dx_link_fd(l, id) >= 0 && dx_link_session(l, id) != NULL);
    DX_CHECK_EQ(dx_link_id_of(dx_link_session(l, id)), id);
    DX_CHECK(dx_link_of(dx_link_session(l, id)) == l);
    if (l == &w->server) {
        w->opened++;
        w->id = id;
    }
}

static void note_writable(dx_link *l, dx_link_id id)
{
    (void)id;
    ((world *)l->desc.user)->writable++;
}

static void note_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    world *w = (world *)l->desc.user;
    const dx_hbtp_session *s = dx_link_session(l, id);
    DX_CHECK(s && s->state == DX_HBTP_CLOSED && !s->waiting && reason <= 0);
    if (l == &w->server) {
        w->closed++;
        w->reason = reason;
    } else {
        w->hung++;
        w->client_reason = reason;
    }
}

static void links_open(world *w, dx_link *l, dx_link_desc *d)
{
    d->user = w;
    d->opened = w->opening ? w->opening : note_opened;
    if (!d->writable) d->writable = note_writable;
    d->closed = note_closed;
    d->session.router = &w->router;
    d->session.on_result = on_result;
    d->session.on_stream = on_stream;
    d->session.on_event = on_event;
    if (!d->session.streams_max) d->session.streams_max = 4;
    if (!d->links_max) d->links_max = 16;
    if (!d->block_count) d->block_count = 64;
    d->memory_size = dx_link_memory_size(d);
    DX_CHECK(d->memory_size > 0);
    d->memory = malloc(d->memory_size);
    DX_CHECK_EQ(dx_link_open(l, &w->l.r, d), DX_LINK_OK);
}

static void world_open(world *w, int backend)
{
    dx_link_desc d;
    now_open = w;
    w->l.desc.pending_max = 1024;
    if (!w->l.desc.buffer_count) w->l.desc.buffer_count = 32;
    loop_open(&w->l, backend);
    DX_CHECK_EQ(dx_hbtp_router_init(&w->router), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&w->router, ECHO, on_echo, w), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&w->router, LATER, on_later, w), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&w->router, WAIT, on_wait, w), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&w->router, WHOLE, on_whole, w), 0);
    if (w->greets) DX_CHECK_EQ(dx_hbtp_router_set(&w->router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &w->hello), 0);
    DX_CHECK_EQ(dx_reactor_address_parse(&w->at, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&w->l.r, &w->at, 0, 0, &w->listening, &w->at), 0);
    keep(w->listening);
    d = w->d;
    links_open(w, &w->server, &d);
    links_open(w, &w->client, &w->d);
    DX_CHECK_EQ(dx_link_listen(&w->server, w->listening), 0);
    DX_CHECK_EQ(dx_link_listen(&w->server, w->listening), DX_LINK_EINVAL);
}

static void world_close(world *w)
{
    void *const memory[2] = {w->server.desc.memory, w->client.desc.memory};
    const uint32_t left = w->server.count;
    const uint32_t closed = w->closed;
    loop_close(&w->l);
    DX_CHECK_EQ(w->closed, closed + left);
    DX_CHECK_EQ(w->server.count + w->client.count, 0);
    shut(w->listening);
    free(memory[0]);
    free(memory[1]);
}

/* Run until the condition holds, which is long before the timeout. */
#define UNTIL(condition)                                                       \
    do {                                                                       \
        const uint64_t end_ = now_ns() + (uint64_t)LONG;                       \
        while (!(condition) && now_ns() < end_)                                \
            DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)(5 * MS)) >= 0);     \
        DX_CHECK(condition);                                                   \
    } while (0)

static dx_hbtp_session *dial(world *w, dx_link_id *id)
{
    DX_CHECK_EQ(dx_link_connect(&w->client, &w->at, id), 0);
    return dx_link_session(&w->client, *id);
}

/* A world for a test without requirements of its own. */
static void world_new(world *w, int backend)
{
    memset(w, 0, sizeof *w);
    world_open(w, backend);
}

/* With a link to its server, and the test's method if it has one. */
static dx_hbtp_session *world_of_two(world *w, int backend, dx_hbtp_handler_fn *own, dx_link_id *id)
{
    world_new(w, backend);
    if (own) DX_CHECK_EQ(dx_hbtp_router_set_method(&w->router, OWN, own, NULL), 0);
    return dial(w, id);
}

/* Call before opening: both sides use version 2. */
static void world_of_version_2(world *w)
{
    memset(w, 0, sizeof *w);
    w->greets = true;
    w->d.hello = &w->hello;
}

/* A plain socket to the server. */
static int dial_plain(const world *w)
{
    struct sockaddr_in a;
    const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    memcpy(&a, w->at.bytes, sizeof a);
    DX_CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Read what is there, without waiting. */
static size_t look(int fd, void *out, size_t size)
{
    const ssize_t n = recv(fd, out, size, MSG_DONTWAIT | MSG_PEEK);
    return n > 0 ? (size_t)n : 0;
}

/* >>life --------------------------------------------------------------- */
EVERY(li_1_a_call_is_answered_and_both_sides_close_in_order)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, NULL, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "hello", 5, UINT64_MAX, NULL, NULL), 0); /* before it is connected */
    UNTIL(w.results == 1);
    DX_CHECK(w.good == 1 && w.last_size == 5 && !memcmp(w.last, "hello", 5));
    DX_CHECK_EQ(dx_link_close(&w.client, id, 0, NULL), 0);
    DX_CHECK_EQ(dx_link_close(&w.client, id, 0, NULL), DX_LINK_ENOTFOUND);
    UNTIL(w.hung == 1 && w.closed == 1);
    DX_CHECK(w.reason == 0 && w.client_reason == 0);
    DX_CHECK(dx_link_session(&w.client, id) == NULL);
    DX_CHECK_EQ(dx_link_wake(&w.client, id), DX_LINK_ENOTFOUND);
    DX_CHECK_EQ(dx_link_abort(&w.client, id), DX_LINK_ENOTFOUND);
    DX_CHECK_EQ(dx_link_fd(&w.client, id), -1);
    world_close(&w);
}

EVERY(li_1_a_link_that_nobody_accepts_is_lost_and_its_requests_end)
{
    static world w;
    dx_reactor_address nowhere;
    dx_link_id id;
    int fd;
    world_new(&w, backend);
    DX_CHECK_EQ(dx_reactor_address_parse(&nowhere, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&w.l.r, &nowhere, 0, 0, &fd, &nowhere), 0);
    close(fd);
    DX_CHECK_EQ(dx_link_connect(&w.client, &nowhere, &id), 0);
    DX_CHECK_EQ(dx_hbtp_call(dx_link_session(&w.client, id), ECHO, "", 0, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.hung == 1);
    DX_CHECK_EQ(w.client_reason, -ECONNREFUSED);
    DX_CHECK(w.results == 1 && w.error == DX_HBTP_ECANCELED);
    world_close(&w);
}

EVERY(li_1_a_connection_that_breaks_off_is_told_from_one_that_was_closed)
{
    static world w;
    int fd;
    world_new(&w, backend);
    fd = dial_plain(&w);
    UNTIL(w.opened == 1);
    shut(fd);
    UNTIL(w.closed == 1);
    DX_CHECK_EQ(w.reason, -ECONNRESET);
    world_close(&w);
}

/* >>bad peers ---------------------------------------------------------- */
EVERY(li_2_what_was_asked_before_the_end_of_data_is_answered)
{
    static const uint8_t call[] = {0x30, 4, 7, 0, 3, 0, 0, 0, ECHO, 'h', 'i'};
    static const uint8_t answer[] = {0x31, 0, 7, 0, 2, 0, 0, 0, 'h', 'i'};
    static world w;
    uint8_t back[64];
    int fd;
    world_new(&w, backend);
    fd = dial_plain(&w);
    DX_CHECK_EQ(send(fd, call, sizeof call, 0), (ssize_t)sizeof call);
    DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    UNTIL(look(fd, back, sizeof back) >= sizeof answer);
    DX_CHECK(!memcmp(back, answer, sizeof answer));
    shut(fd);
    UNTIL(w.closed == 1);
    world_close(&w);
}

EVERY(li_2_a_peer_that_asks_and_never_reads_is_held_and_stops_nobody)
{
    static world w;
    static uint8_t calls[11 * 4096];
    dx_link_id id;
    dx_hbtp_session *s;
    uint64_t frames;
    size_t asked = 0;
    int quiet = 0;
    int fd;
    memset(&w, 0, sizeof w);
    w.d.high_water = 16384;
    world_open(&w, backend);
    for (size_t i = 0; i < sizeof calls; i += 9) {
        static const uint8_t call[9] = {0x30, 4, 7, 0, 1, 0, 0, 0, WHOLE};
        if (sizeof calls - i >= 9) memcpy(calls + i, call, 9);
    }
    fd = dial_plain(&w);
    UNTIL(w.opened == 1);
    while (quiet < 200) { /* until it accepts no more */
        const ssize_t n = send(fd, calls + asked % 9, sizeof calls / 9 * 9 - asked % 9, MSG_DONTWAIT);
        if (n > 0) asked += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
        DX_CHECK(dx_reactor_run_once(&w.l.r, 0) >= 0);
    }
    frames = dx_link_session(&w.server, w.id)->counters.frames;
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "you", 3, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK_EQ(w.good, 1);
    /* The peer reads again: everything continues where it stopped, and nothing is lost. */
    {
        static uint8_t back[1 << 16];
        const uint64_t wanted = asked / 9 * 3008;
        uint64_t got = 0;
        DX_CHECK(frames < asked / 9);
        while (got < wanted) {
            const ssize_t n = recv(fd, back, sizeof back, MSG_DONTWAIT);
            if (n > 0) got += (uint64_t)n;
            DX_CHECK(dx_reactor_run_once(&w.l.r, n > 0 ? 0 : (int64_t)MS) >= 0);
        }
        DX_CHECK_EQ(got, wanted);
    }
    DX_CHECK(w.server.desc.block_count - w.server.peers_.blocks_left_ < 16);
    world_close(&w);
}

EVERY(li_2_a_frame_that_never_becomes_whole_ends_its_link)
{
    static const uint8_t begun[] = {0x30, 4, 7, 0, 100, 0, 0, 0, ECHO};
    static world w;
    uint8_t back[64];
    int fd;
    memset(&w, 0, sizeof w);
    w.d.session.frame_ns = 50 * MS;
    world_open(&w, backend);
    fd = dial_plain(&w);
    DX_CHECK_EQ(send(fd, begun, sizeof begun, 0), (ssize_t)sizeof begun);
    UNTIL(look(fd, back, sizeof back) > 8);
    DX_CHECK(back[0] == DX_HBTP_OP_CLOSE && back[8] == (408 & 255) && back[9] == 408 >> 8);
    DX_CHECK_EQ(dx_link_session(&w.server, w.id)->error, DX_HBTP_ETIMEDOUT);
    shut(fd);
    UNTIL(w.closed == 1);
    world_close(&w);
}

EVERY(li_2_a_silent_peer_is_asked_and_then_left)
{
    static world w;
    uint8_t back[64];
    int fd;
    memset(&w, 0, sizeof w);
    w.d.session.keepalive_ns = 30 * MS;
    w.d.linger_ns = 30 * MS;
    world_open(&w, backend);
    fd = dial_plain(&w);
    UNTIL(w.closed == 1); /* it reads, but does not close either */
    DX_CHECK_EQ(w.reason, -ETIMEDOUT);
    DX_CHECK(look(fd, back, sizeof back) >= 16 && back[0] == DX_HBTP_OP_PING && back[8] == DX_HBTP_OP_CLOSE);
    shut(fd);
    world_close(&w);
}

/* >>flow --------------------------------------------------------------- */
EVERY(li_3_a_handler_that_waits_is_called_again_when_woken)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, NULL, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, WAIT, "1", 1, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "2", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.tries >= 3); /* by itself, from time to time */
    DX_CHECK_EQ(w.results, 0);
    w.ready = true;
    DX_CHECK_EQ(dx_link_wake(&w.server, w.id), 0);
    UNTIL(w.results == 2);
    DX_CHECK(w.good == 2 && w.last[0] == '2');
    world_close(&w);
}

static uint32_t begun_count, whole_count;

static void note_partial(dx_link *l, dx_link_id id, bool begun)
{
    DX_CHECK_EQ(dx_hbtp_has_begun(dx_link_session(l, id), NULL), begun);
    if (begun) begun_count++;
    else whole_count++;
}

/* Frames in pieces of any size: the program is told when a frame begins and when it is complete, not of each byte
   between. */
EVERY(li_3_the_program_hears_of_half_frames)
{
    static world w;
    static const uint8_t frame[13] = {0x30, 4, 1, 0, 5, 0, 0, 0, ECHO, 'h', 'a', 'l', 'f'};
    uint8_t three[3 * sizeof frame];
    uint8_t answer[64];
    int fd;
    for (int in_place = 0; in_place < 2; in_place++) {
        memset(&w, 0, sizeof w);
        w.d.session.in_place = in_place;
        w.d.partial = note_partial;
        world_open(&w, backend);
        begun_count = whole_count = 0;
        for (int i = 0; i < 3; i++) memcpy(three + i * sizeof frame, frame, sizeof frame);
        fd = dial_plain(&w);
        DX_CHECK_EQ(send(fd, three, sizeof frame, 0), (ssize_t)sizeof frame);
        UNTIL(w.server.received == sizeof frame);
        DX_CHECK(!begun_count && !whole_count); /* it came whole */
        DX_CHECK_EQ(send(fd, three, 5, 0), 5);
        UNTIL(begun_count == 1);
        DX_CHECK_EQ(send(fd, three + 5, 3, 0), 3); /* the rest of its header, and no more */
        for (int i = 0; i < 5; i++) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)MS) >= 0);
        DX_CHECK(begun_count == 1 && whole_count == 0);
        DX_CHECK_EQ(send(fd, three + 8, sizeof frame + 2, 0), (ssize_t)sizeof frame + 2);
        UNTIL(begun_count == 2); /* complete, one more, and the next has begun */
        DX_CHECK_EQ(whole_count, 0);
        DX_CHECK_EQ(send(fd, three + 10, sizeof frame - 10, 0), (ssize_t)sizeof frame - 10);
        UNTIL(whole_count == 1);
        DX_CHECK_EQ(begun_count, 2);
        DX_CHECK(recv(fd, answer, sizeof answer, 0) > 0);
        shut(fd);
        UNTIL(w.closed == 1);
        world_close(&w);
    }
}

EVERY(li_3_a_handler_that_waits_in_vain_is_called_ever_more_seldom)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    uint64_t end;
    uint32_t tries;
    s = world_of_two(&w, backend, NULL, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, WAIT, "1", 1, UINT64_MAX, NULL, NULL), 0);
    end = now_ns() + 700 * MS;
    while (now_ns() < end) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)(5 * MS)) >= 0);
    DX_CHECK(w.tries >= 2 && w.tries <= 8); /* after 0, 10, 30, 70, 150, 310, 630 ms */
    tries = w.tries;
    DX_CHECK_EQ(dx_link_wake(&w.server, w.id), 0); /* then it starts again */
    UNTIL(w.tries >= tries + 3);
    w.ready = true;
    UNTIL(w.results == 1);
    world_close(&w);
}

static int on_abort(const dx_hbtp_context *c) /* cuts its own link, and asks to be called again */
{
    world *w = world_of(c->session);
    w->tries++;
    DX_CHECK_EQ(dx_link_abort(dx_link_of(c->session), dx_link_id_of(c->session)), 0);
    return DX_HBTP_EAGAIN;
}

static int on_abort_at_once(const dx_hbtp_context *c)
{
    (void)on_abort(c);
    return DX_HBTP_OK;
}

EVERY(li_3_a_handler_may_cut_its_own_link_off)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, on_abort, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, OWN, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.tries == 1 && w.reason == -ECANCELED && w.results == 1 && w.error == DX_HBTP_ECANCELED);
    world_close(&w);
}

EVERY(li_3_answers_that_come_later_go_out_at_once)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, NULL, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    DX_CHECK_EQ(dx_hbtp_reply(dx_link_session(&w.server, w.id), w.later[0], "late", 4), 0);
    UNTIL(w.results == 1);
    DX_CHECK(w.good == 1 && !memcmp(w.last, "late", 4));
    world_close(&w);
}

EVERY(li_3_a_request_expires_in_time)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    uint64_t begun;
    s = world_of_two(&w, backend, NULL, &id);
    begun = dx_reactor_refresh_now_ns(&w.l.r);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, begun + 5000 * MS, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "2", 1, begun + 40 * MS, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK(w.error == DX_HBTP_ETIMEDOUT && dx_reactor_now_ns(&w.l.r) >= begun + 40 * MS);
    world_close(&w);
}

EVERY(li_3_a_stream_fills_the_line_and_every_byte_arrives)
{
    enum { ALL = 300000 };
    static world w;
    static uint8_t data[4000];
    dx_link_id id;
    dx_hbtp_session *s;
    uint32_t stream;
    memset(&w, 0, sizeof w);
    w.d.block_size = 4096;
    w.d.high_water = 4096;
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_open(s, ECHO, NULL, 0, 100, NULL, &stream), 0);
    while (w.sent < ALL) {
        int64_t n;
        size_t size = sizeof data < ALL - w.sent ? sizeof data : (size_t)(ALL - w.sent);
        for (size_t i = 0; i < size; i++) data[i] = pattern(w.sent + i);
        n = dx_hbtp_send(s, stream, data, size);
        DX_CHECK(n >= 0);
        w.sent += (uint64_t)n;
        if (!n) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)S) >= 0);
    }
    while (dx_hbtp_finish(s, stream, 0, NULL) == DX_HBTP_ENOSPACE)
        DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)S) >= 0);
    UNTIL(w.finished == 1);
    DX_CHECK_EQ(w.received, ALL);
    world_close(&w);
}

EVERY(li_6_what_happens_is_counted_where_that_was_asked_for)
{
    static world w;
    static dx_link_counters k; /* of both sides */
    dx_link_id id;
    dx_hbtp_session *s;
    uint32_t stream;
    memset(&w, 0, sizeof w);
    memset(&k, 0, sizeof k);
    w.d.counters = &k;
    w.limit = 1000;
    w.d.session.frames_max = 2;
    world_open(&w, backend);
    s = dial(&w, &id);
    for (int i = 0; i < 10; i++) DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 10);
    DX_CHECK(k.accepted == 1 && k.connected == 1 && k.closed == 0);
    DX_CHECK(k.frames == 20 && k.results == 10 && k.deadlines == 0); /* calls there, answers here */
    DX_CHECK(k.held > 0); /* ten do not fit into a round of two */
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "2", 1, dx_reactor_now_ns(&w.l.r) + 20 * MS, NULL, NULL), 0);
    UNTIL(w.results == 11);
    DX_CHECK(k.results == 11 && k.deadlines == 1 && k.credit_stalls == 0);
    DX_CHECK_EQ(dx_hbtp_open(s, ECHO, NULL, 0, 0, NULL, &stream), 0);
    while (w.received < 1000) {
        uint8_t data[100];
        int64_t n;
        for (size_t i = 0; i < sizeof data; i++) data[i] = pattern(w.sent + i);
        n = dx_hbtp_send(s, stream, data, sizeof data);
        DX_CHECK(n >= 0);
        w.sent += (uint64_t)n;
        DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)MS) >= 0);
    }
    DX_CHECK_EQ(k.credit_stalls, 1); /* no one has read */
    DX_CHECK_EQ(dx_link_abort(&w.client, id), 0);
    UNTIL(w.hung == 1 && w.closed == 1);
    DX_CHECK(k.closed == 2 && k.lost == 2);
    world_close(&w);
}

/* Send all that there is room and credit for. */
static void send_all(world *w, dx_hbtp_session *s, uint32_t stream)
{
    uint8_t data[200];
    int64_t n;
    do {
        for (size_t i = 0; i < sizeof data; i++) data[i] = pattern(w->sent + i);
        n = dx_hbtp_send(s, stream, data, sizeof data);
        DX_CHECK(n >= 0);
        w->sent += (uint64_t)n;
    } while (n);
}

/* No codec compresses here, but a chunk that might be compressed must not be split. */
static const dx_hbtp_codec no_codec;

/* Payloads of 256 bytes: one chunk per round trip was all that fit. */
static void windows_grow(int backend, bool greets, uint32_t limit, uint32_t most)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    uint32_t stream;
    memset(&w, 0, sizeof w);
    w.limit = limit;
    w.d.session.payload_max = 256;
    if (most == 252) w.d.session.codec = &no_codec;
    if (greets) {
        world_of_version_2(&w);
        w.limit = limit;
        w.d.session.payload_max = 256;
        w.hello.credit = 100;
    }
    world_open(&w, backend);
    s = dial(&w, &id);
    if (greets) UNTIL(w.events[1][DX_HBTP_EVENT_HELLO] == 1);
    DX_CHECK_EQ(dx_hbtp_open(s, ECHO, NULL, 0, 0, NULL, &stream), 0);
    for (uint64_t turn = 0; turn < 200000 && w.received < 20000 * (most > 1000 ? 100 : 1); turn++) {
        dx_hbtp_session *reader = dx_link_session(&w.server, w.id);
        send_all(&w, s, stream);
        DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)MS) >= 0);
        DX_CHECK(w.unread <= most);
        if (!w.stream || !w.unread || turn % 4) continue;
        DX_CHECK_EQ(dx_link_consumed(reader, w.stream, &w.window, w.unread), 0);
        w.unread = 0;
    }
    DX_CHECK(w.window.round_trip_ns > 0);
    DX_CHECK(w.received >= 20000 && w.server.count == 1);
    if (most > 4096) DX_CHECK(w.window.size > 4096);
    DX_CHECK(w.window.size <= most);
    world_close(&w);
}

EVERY(li_3_the_window_of_a_stream_grows_up_to_its_limit) { windows_grow(backend, true, 50000, 50000); }
EVERY(li_3_the_window_of_a_stream_of_version_1_grows_too) { windows_grow(backend, false, 50000, 50000); }
EVERY(li_3_a_window_without_split_chunks_is_one_chunk) { windows_grow(backend, false, 50000, 252); }

/* Large frames that the program writes directly into the send buffer, between the session's answers. */
typedef struct shipment {
    dx_link   *from; /* handles of two sets may be equal */
    dx_link_id id;
    uint64_t   at, size; /* of the object */
    uint32_t   waits;    /* how often there was no room */
} shipment;

static shipment shipped;
static uint64_t landed;
static bool     landed_whole;

static void ship(dx_link *l, dx_link_id id)
{
    enum { PIECE = 3000 };
    shipment *s = &shipped;
    while (l == s->from && id == s->id && s->at < s->size) {
        dx_hbtp_file_chunk chunk;
        dx_hbtp_out out;
        uint8_t *data;
        const uint64_t n = s->size - s->at < PIECE ? s->size - s->at : PIECE;
        const int error = dx_link_reserve(l, id, PIECE + DX_HBTP_FILE_CHUNK_OVERHEAD, &out);
        if (error) {
            DX_CHECK_EQ(error, DX_LINK_EAGAIN);
            s->waits++;
            return;
        }
        data = dx_hbtp_out_next(&out) + DX_HBTP_FILE_CHUNK_PREFIX;
        for (uint64_t i = 0; i < n; i++) data[i] = pattern(s->at + i);
        memset(&chunk, 0, sizeof chunk);
        chunk.transfer = 1;
        chunk.offset = s->at;
        chunk.data = data;
        chunk.data_size = (uint32_t)n;
        s->at += n;
        chunk.final = s->at == s->size;
        DX_CHECK_EQ(dx_hbtp_write_file_chunk(&out, 0, &chunk), 0);
        DX_CHECK_EQ(dx_link_commit(l, id, &out), 0);
    }
}

static int on_file_chunk(const dx_hbtp_context *c)
{
    dx_hbtp_file_chunk chunk;
    DX_CHECK_EQ(dx_hbtp_parse_file_chunk(c->frame, &chunk), 0);
    DX_CHECK_EQ(chunk.offset, landed);
    for (uint32_t i = 0; i < chunk.data_size; i++) DX_CHECK_EQ(chunk.data[i], pattern(landed + i));
    landed += chunk.data_size;
    landed_whole = chunk.final;
    return 0;
}

EVERY(li_3_large_frames_are_written_where_they_are_sent_from)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    dx_hbtp_out out;
    memset(&w, 0, sizeof w);
    w.d.high_water = 10000;
    w.d.writable = ship;
    world_open(&w, backend);
    DX_CHECK_EQ(dx_hbtp_router_set(&w.router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL), 0);
    s = dial(&w, &id);
    UNTIL(w.opened == 1);
    memset(&shipped, 0, sizeof shipped);
    landed = 0;
    landed_whole = false;
    shipped.from = &w.server;
    shipped.id = w.id;
    shipped.size = 2000000;
    DX_CHECK_EQ(dx_link_reserve(&w.server, w.id, w.server.desc.block_size + 1, &out), DX_LINK_EINVAL);
    DX_CHECK_EQ(dx_link_reserve(&w.server, 77, 100, &out), DX_LINK_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "among them", 10, UINT64_MAX, NULL, NULL), 0);
    ship(&w.server, w.id);
    UNTIL(landed_whole);
    DX_CHECK(landed == shipped.size && shipped.waits > 0);
    UNTIL(w.results == 1);
    DX_CHECK_EQ(w.good, 1);
    world_close(&w);
}

/* Every link of the server except one sends as much as it may. */
static dx_link   *pouring;
static dx_link_id spared;

enum { IDLE = 20 }; /* links whose peers do not read */

static void pour(dx_link *l, dx_link_id id)
{
    static const uint8_t nothing[8000] = {0};
    dx_hbtp_out out;
    while (l == pouring && id != spared && dx_link_reserve(l, id, sizeof nothing + 8, &out) == DX_LINK_OK) {
        DX_CHECK_EQ(dx_hbtp_write_frame(&out, DX_HBTP_OP_BINARY_BLOB, 0, 0, nothing, sizeof nothing), 0);
        DX_CHECK_EQ(dx_link_commit(l, id, &out), 0);
    }
}

static void pour_at_once(dx_link *l, dx_link_id id)
{
    const int small = 4096;
    note_opened(l, id);
    if (l != pouring) return;
    if (world_of(dx_link_session(l, id))->opened > IDLE) {
        spared = id;
        return;
    }
    DX_CHECK_EQ(setsockopt(dx_link_fd(l, id), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    DX_CHECK_EQ(dx_link_call_writable(l, id), 0);
}

static uint64_t drink(int fd, uint64_t *all)
{
    static uint8_t bytes[65536];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) *all += (uint64_t)n;
    return *all;
}

static bool has_no_room(dx_link *l, dx_link_id id)
{
    dx_hbtp_out out;
    const int error = dx_link_reserve(l, id, 8008, &out);
    if (!error) DX_CHECK_EQ(dx_link_commit(l, id, &out), 0); /* nothing */
    return error == DX_LINK_EAGAIN;
}

EVERY(li_3_large_frames_wait_where_others_have_all_blocks_and_answers_do_not)
{
    static world w;
    dx_link_id id, first;
    dx_hbtp_session *s;
    uint64_t all = 0;
    int fds[IDLE], last;
    memset(&w, 0, sizeof w);
    w.d.block_count = 16;
    w.d.links_max = IDLE + 4;
    w.d.writable = pour;
    w.opening = pour_at_once;
    pouring = &w.server;
    spared = 0;
    world_open(&w, backend);
    for (int i = 0; i < IDLE; i++) { /* which do not read */
        fds[i] = dial_plain(&w);
        UNTIL(w.opened == (uint32_t)i + 1);
    }
    last = dial_plain(&w);
    UNTIL(w.opened == IDLE + 1);
    first = spared;
    UNTIL(has_no_room(&w.server, first)); /* with nothing in flight: others have all of it */
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "short", 5, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK(w.good == 1 && w.closed == 0);
    spared = 0;
    for (int i = 0; i < IDLE; i++) shut(fds[i]);
    UNTIL(w.closed == IDLE && drink(last, &all) > 1000000);
    DX_CHECK_EQ(w.server.count, 2);
    pouring = NULL;
    shut(last);
    world_close(&w);
}

enum { CROWD = 20, FRAME = 3000, FRAMES = 30, PORTION = FRAMES * (FRAME + 64) };

/* Fill the session of a link with frames whose bytes tell the link and the frame. */
static void fill(dx_hbtp_session *s, uint32_t link)
{
    static uint8_t frame[FRAME];
    for (uint32_t k = 0; k < FRAMES; k++) {
        memset(frame, (int)(link * 7 + k), sizeof frame);
        DX_CHECK_EQ(dx_hbtp_notify(s, DX_HBTP_OP_BINARY_BLOB, 0, frame, sizeof frame), 0);
    }
}

/* All links get large output at once, seven times the blocks, and one of them a Close after it. */
EVERY(li_3_large_output_of_many_sessions_waits_for_blocks_and_keeps_its_order)
{
    static world w;
    static uint8_t got[CROWD][PORTION];
    const int small = 4096;
    const size_t each = FRAME + DX_HBTP_HEADER_SIZE; /* with the frame's header */
    size_t sizes[CROWD] = {0}, all = 0;
    dx_link_id ids[CROWD];
    uint64_t end;
    int fds[CROWD];
    memset(&w, 0, sizeof w);
    w.d.block_count = 16;
    w.d.out_size = 128 << 10;
    w.d.links_max = CROWD + 4;
    world_open(&w, backend);
    for (uint32_t i = 0; i < CROWD; i++) {
        fds[i] = dial_plain(&w);
        UNTIL(w.opened == i + 1);
        ids[i] = w.id;
        DX_CHECK_EQ(setsockopt(dx_link_fd(&w.server, w.id), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    }
    for (uint32_t i = 0; i < CROWD; i++) fill(dx_link_session(&w.server, ids[i]), i);
    DX_CHECK_EQ(dx_link_close(&w.server, ids[CROWD - 1], DX_HBTP_STATUS_NONE, NULL), 0);
    end = now_ns() + (uint64_t)LONG;
    while (all < CROWD * FRAMES * each && now_ns() < end && !w.closed) {
        DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)MS) >= 0);
        all = 0;
        for (uint32_t i = 0; i < CROWD; i++) {
            const ssize_t n = recv(fds[i], got[i] + sizes[i], PORTION - sizes[i], MSG_DONTWAIT);
            if (n > 0) sizes[i] += (size_t)n;
            all += sizes[i];
        }
    }
    DX_CHECK_EQ(w.closed, 0); /* before its peer has sent its end */
    for (uint32_t i = 0; i < CROWD; i++)
        for (uint32_t k = 0; k < FRAMES; k++)
            DX_CHECK(sizes[i] >= (k + 1) * each && got[i][k * each + each / 2] == (uint8_t)(i * 7 + k));
    for (uint32_t i = 0; i < CROWD; i++) shut(fds[i]);
    UNTIL(w.closed == CROWD);
    world_close(&w);
}

EVERY(li_3_a_link_on_which_nothing_moves_is_lost_where_that_was_asked_for)
{
    static world w;
    uint64_t began;
    int fd;
    memset(&w, 0, sizeof w);
    w.d.idle_ns = 300 * MS;
    w.d.session.keepalive_ns = UINT64_MAX;
    world_open(&w, backend);
    fd = dial_plain(&w);
    began = now_ns();
    UNTIL(w.closed == 1);
    DX_CHECK(w.reason == -ETIMEDOUT && now_ns() - began >= 300 * MS);
    shut(fd);
    DX_CHECK_EQ(dx_link_call_writable(&w.server, w.id), DX_LINK_ENOTFOUND);
    world_close(&w);
}

/* >>drain -------------------------------------------------------------- */
EVERY(li_4_a_drain_answers_what_was_asked_and_then_closes)
{
    static world w;
    dx_link_id id, idle;
    dx_hbtp_session *s;
    world_new(&w, backend);
    dial(&w, &idle);
    UNTIL(w.opened == 1);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 60 * S);
    UNTIL(w.closed == 1); /* the idle one */
    DX_CHECK_EQ(w.server.count, 1);
    DX_CHECK_EQ(w.results, 0);
    DX_CHECK_EQ(dx_hbtp_reply(dx_link_session(&w.server, w.id), w.later[0], "late", 4), 0);
    UNTIL(w.closed == 2 && w.hung == 2);
    DX_CHECK(w.good == 1 && w.reason == 0 && w.client_reason == 0 && w.server.count == 0);
    DX_CHECK_EQ(dx_link_connect(&w.server, &w.at, &id), DX_LINK_ECANCELED);
    world_close(&w);
}

/* It ends nothing else: links go on, and accepting can begin again. */
EVERY(li_4_accepting_ends_and_links_go_on)
{
    static world w;
    dx_link_id id, late;
    dx_hbtp_session *s = world_of_two(&w, backend, NULL, &id);
    UNTIL(w.opened == 1);
    DX_CHECK(dx_link_is_listening(&w.server) && !dx_link_is_listening(&w.client));
    dx_link_listen_end(&w.server);
    UNTIL(!dx_link_is_listening(&w.server));
    dial(&w, &late); /* the system takes it, and nobody else */
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.good == 1);
    for (int i = 0; i < 5; i++) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)(5 * MS)) >= 0);
    DX_CHECK(w.opened == 1 && w.closed == 0 && w.hung == 0);
    DX_CHECK_EQ(dx_link_listen(&w.server, w.listening), 0);
    DX_CHECK(dx_link_is_listening(&w.server));
    UNTIL(w.opened == 2);
    dx_link_drain(&w.server, 60 * S);
    UNTIL(w.closed == 2 && !dx_link_is_listening(&w.server));
    world_close(&w);
}

/* Who ends accepting, waits for it and drains refuses nobody whom the system has accepted. */
EVERY(li_4_the_end_of_accepting_loses_nobody)
{
    enum { DIALS = 10 };
    for (int turns = 0; turns < 4; turns++) {
        static world w;
        uint32_t opened;
        world_new(&w, backend);
        for (int i = 0; i < DIALS; i++) (void)dial_plain(&w);
        for (int i = 0; i < turns; i++) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)(5 * MS)) >= 0);
        dx_link_listen_end(&w.server);
        UNTIL(!dx_link_is_listening(&w.server));
        opened = w.opened;
        DX_CHECK(turns == 0 || opened > 0);
        dx_link_drain(&w.server, S);
        UNTIL(w.server.count == 0);
        DX_CHECK_EQ(w.server.peers_.refused, 0);
        DX_CHECK(w.opened == opened && w.closed == opened);
        world_close(&w);
    }
}

EVERY(li_4_a_drain_ends_in_time_whatever_the_peers_do)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, NULL, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 40 * MS);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.results == 1 && w.error == DX_HBTP_ECANCELED && w.reason == 0);
    world_close(&w);
}

static uint32_t came; /* links of either side */

static void count_opened(dx_link *l, dx_link_id id)
{
    came++;
    note_opened(l, id);
}

/* Each link whose end is reported was also reported as opened, if it was established. */
EVERY(li_4_a_link_that_comes_about_during_a_drain_is_opened_and_closed)
{
    static world w;
    dx_link_id id;
    world_new(&w, backend);
    came = 0;
    w.client.desc.opened = count_opened;
    dial(&w, &id);
    dx_link_drain(&w.client, 60 * S);
    UNTIL(w.hung == 1 && w.closed == 1);
    DX_CHECK(came == 1 && w.client_reason == 0 && w.opened == 1);
    world_close(&w);
}

static bool is_busy(dx_link *l, dx_link_id id)
{
    world *w = (world *)l->desc.user;
    DX_CHECK(l == &w->server && id == w->id);
    w->tries++;
    return !w->ready;
}

EVERY(li_4_a_drain_waits_for_what_only_the_program_knows_of)
{
    static world w;
    dx_link_id id;
    uint64_t begun;
    memset(&w, 0, sizeof w);
    w.d.busy = is_busy;
    world_open(&w, backend);
    dial(&w, &id);
    UNTIL(w.opened == 1);
    DX_CHECK_EQ(w.tries, 0);
    dx_link_drain(&w.server, 60 * S);
    begun = now_ns();
    UNTIL(now_ns() - begun > 30 * MS);
    DX_CHECK(w.tries > 0 && w.closed == 0);
    w.ready = true;
    DX_CHECK_EQ(dx_link_wake(&w.server, w.id), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

static bool is_unfinished(dx_link *l, dx_link_id id)
{
    world *w = (world *)l->desc.user;
    DX_CHECK(l == &w->server && id == w->id);
    return !w->ready;
}

/* An unfinished peer, which still has to send more, is not notified and gets its answer, in either version. */
EVERY(li_4_a_drain_passes_by_a_link_that_is_unfinished)
{
    for (int version = 1; version <= 2; version++) {
        static world w;
        dx_link_id id;
        memset(&w, 0, sizeof w);
        w.greets = version == 2;
        w.d.hello = w.greets ? &w.hello : NULL;
        w.d.unfinished = is_unfinished;
        w.busy = true;
        world_open(&w, backend);
        DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id), ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
        UNTIL(w.results > 3);
        dx_link_drain(&w.server, 60 * S);
        const uint32_t before = w.results;
        UNTIL(w.results > before + 20 || w.closed);
        DX_CHECK(!w.closed && w.good == w.results && !w.events[1][DX_HBTP_EVENT_DRAIN]);
        w.ready = true;
        UNTIL(w.closed == 1 && w.hung == 1);
        DX_CHECK(w.reason == 0 && w.client_reason == 0);
        if (version == 2) DX_CHECK_EQ(w.results, w.good + w.unbegun);
        world_close(&w);
    }
}

/* But not for longer than the drain may take. */
EVERY(li_4_a_drain_ends_in_time_though_a_link_is_unfinished)
{
    static world w;
    dx_link_id id;
    memset(&w, 0, sizeof w);
    w.d.unfinished = is_unfinished;
    world_open(&w, backend);
    dial(&w, &id);
    UNTIL(w.opened == 1);
    const uint64_t begun = now_ns();
    dx_link_drain(&w.server, 40 * MS);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(now_ns() - begun >= 40 * MS);
    world_close(&w);
}

EVERY(li_4_a_busy_peer_of_version_1_does_not_hold_a_drain_up)
{
    static world w;
    dx_link_id id;
    world_new(&w, backend);
    w.busy = true;
    DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id), ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results > 10);
    dx_link_drain(&w.server, 600 * S);
    UNTIL(w.closed == 1 && w.hung == 1); /* requests made meanwhile end, too */
    DX_CHECK(w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

EVERY(li_4_of_a_peer_of_version_2_a_drain_loses_no_request_without_saying_that_it_was_not_begun)
{
    for (int i = 0; i < 20; i++) {
        static world w;
        dx_link_id id;
        memset(&w, 0, sizeof w);
        w.greets = true;
        w.d.hello = &w.hello;
        w.busy = true;
        world_open(&w, backend);
        DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id), ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
        UNTIL(w.results > (uint32_t)(3 + i));
        dx_link_drain(&w.server, 600 * S);
        UNTIL(w.closed == 1 && w.hung == 1);
        DX_CHECK(w.reason == 0 && w.client_reason == 0);
        DX_CHECK_EQ(w.results, w.good + w.unbegun);
        world_close(&w);
    }
}

/* >>hello -------------------------------------------------------------- */
EVERY(li_6_links_agree_upon_version_2_and_deadlines_travel)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    world_of_version_2(&w);
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0); /* at once, as version 1 */
    UNTIL(w.results == 1);
    DX_CHECK(w.good == 1 && s->peer.version == 2 && dx_link_session(&w.server, w.id)->peer.version == 2);
    DX_CHECK(w.events[0][DX_HBTP_EVENT_HELLO] == 1 && w.events[1][DX_HBTP_EVENT_HELLO] == 1);
    DX_CHECK_EQ(w.deadline_ns, UINT64_MAX);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "2", 1, dx_reactor_refresh_now_ns(&w.l.r) + 100 * S, NULL, NULL), 0);
    UNTIL(w.results == 2);
    DX_CHECK(w.good == 2 && w.deadline_ns > dx_reactor_now_ns(&w.l.r) && w.deadline_ns < dx_reactor_now_ns(&w.l.r) + 101 * S);
    world_close(&w);
}

EVERY(li_6_a_link_to_an_old_server_goes_on_as_version_1)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    w.d.hello = &w.hello;
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK(w.good == 1 && s->peer.version == 1 && w.events[1][DX_HBTP_EVENT_HELLO] == 1);
    world_close(&w);
}

EVERY(li_6_who_needs_version_2_leaves_an_old_one)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    w.d.hello = &w.hello;
    w.hello.needs = DX_HBTP_FEATURE_CANCEL;
    world_open(&w, backend);
    s = dial(&w, &id);
    UNTIL(s->state == DX_HBTP_CLOSED);
    DX_CHECK_EQ(s->error, DX_HBTP_EVERSION);
    UNTIL(w.hung == 1 && w.closed == 1);
    world_close(&w);
}

EVERY(li_6_who_does_not_answer_a_hello_is_left_in_time)
{
    for (int says_nothing = 0; says_nothing < 2; says_nothing++) { /* or answers Pings, and everything but Hello */
        static world w;
        dx_link_id id;
        dx_hbtp_session *s;
        uint64_t begun;
        int fd = -1;
        memset(&w, 0, sizeof w);
        w.d.hello = &w.hello;
        w.d.connect_ns = 40 * MS;
        w.d.hello_ns = 40 * MS;
        w.d.linger_ns = 20 * MS;
        w.d.session.keepalive_ns = says_nothing ? UINT64_MAX : 15 * MS;
        world_open(&w, backend);
        DX_CHECK_EQ(dx_hbtp_router_set(&w.router, DX_HBTP_OP_HELLO, on_later, NULL), 0);
        if (says_nothing) { /* only the kernel accepts the connection */
            DX_CHECK_EQ(dx_reactor_address_parse(&w.at, "127.0.0.1:0"), 0);
            DX_CHECK_EQ(dx_reactor_listen(&w.l.r, &w.at, 0, 0, &fd, &w.at), 0);
            keep(fd);
        }
        begun = dx_reactor_refresh_now_ns(&w.l.r);
        s = dial(&w, &id);
        DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
        UNTIL(s->state == DX_HBTP_CLOSED);
        DX_CHECK(s->error == DX_HBTP_ETIMEDOUT && w.results == 1 && now_ns() - begun >= 80 * MS);
        UNTIL(w.hung == 1);
        DX_CHECK_EQ(w.client_reason, says_nothing ? -ETIMEDOUT : 0);
        world_close(&w);
        if (fd >= 0) shut(fd);
    }
}

EVERY(li_6_a_large_frame_that_the_peer_does_not_take_is_refused)
{
    static const uint8_t bytes[1001];
    static world w;
    dx_link_id id;
    dx_hbtp_out out;
    world_of_version_2(&w);
    w.d.session.payload_max = 1000;
    world_open(&w, backend);
    dial(&w, &id);
    UNTIL(w.events[0][DX_HBTP_EVENT_HELLO] == 1 && w.opened == 1);
    DX_CHECK_EQ(dx_link_reserve(&w.server, w.id, 4000, &out), 0);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, DX_HBTP_OP_BINARY_BLOB, 0, 0, bytes, 1001), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, DX_HBTP_OP_BINARY_BLOB, 0, 0, bytes, 1000), 0);
    DX_CHECK_EQ(dx_link_commit(&w.server, w.id, &out), 0);
    UNTIL(w.client.received > 1000);
    DX_CHECK_EQ(w.hung, 0);
    world_close(&w);
}

EVERY(li_6_a_drain_is_told_to_peers_that_understand_it)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    world_of_version_2(&w);
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 600 * S);
    UNTIL(w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "2", 1, UINT64_MAX, NULL, NULL), DX_HBTP_ECANCELED);
    DX_CHECK(w.results == 0 && w.closed == 0);
    DX_CHECK_EQ(dx_hbtp_reply(dx_link_session(&w.server, w.id), w.later[0], "done", 4), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.good == 1 && w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

/* >>dialers ------------------------------------------------------------ */
EVERY(li_7_a_dialer_comes_back_when_its_link_is_lost)
{
    static world w;
    static dx_link_dialer d;
    dx_link_id first;
    world_new(&w, backend);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d, &w.at, 7), 0);
    first = d.id;
    DX_CHECK(first != 0);
    UNTIL(w.opened == 1);
    DX_CHECK_EQ(dx_link_abort(&w.server, w.id), 0);
    UNTIL(w.hung == 1);
    DX_CHECK(d.id == 0 && d.failures == 1 && d.reason < 0);
    UNTIL(w.opened == 2);
    DX_CHECK(d.id != 0 && d.id != first);
    DX_CHECK_EQ(dx_hbtp_call(dx_link_session(&w.client, d.id), ECHO, "back", 4, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK_EQ(w.good, 1);
    dx_link_dial_end(&d);
    DX_CHECK_EQ(dx_link_abort(&w.server, w.id), 0);
    UNTIL(w.hung == 2);
    DX_CHECK_EQ(w.client.dial_ns_, UINT64_MAX);
    world_close(&w);
}

/* The other end of a link that is carried on by the program. */
static int carried[2]; /* descriptors of the last pair: ours is the second one */
static int32_t carried_error;

static int carry(dx_link *l, const dx_reactor_address *address, dx_link_id *id)
{
    DX_CHECK(address->size > 0);
    if (carried_error) return carried_error;
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, carried), 0);
    return dx_link_prepare(l, carried[0], id);
}

EVERY(li_7_a_dialer_connects_as_the_program_says)
{
    static world w;
    static dx_link_dialer d;
    dx_link_id other;
    memset(&w, 0, sizeof w);
    w.d.connect = carry;
    carried_error = 0;
    world_open(&w, backend);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d, &w.at, 7), 0);
    for (int i = 0; i < 10; i++) DX_CHECK(dx_reactor_run_once(&w.l.r, (int64_t)MS) >= 0);
    DX_CHECK(d.id && w.opened == 0 && w.hung == 0); /* it waits */
    DX_CHECK_EQ(dx_link_ready(&w.client, d.id, 1), DX_LINK_EINVAL);
    DX_CHECK_EQ(dx_link_ready(&w.client, d.id, -ECONNREFUSED), 0);
    UNTIL(w.hung == 1);
    DX_CHECK(d.id == 0 && d.failures == 1 && d.reason == -ECONNREFUSED && w.client_reason == -ECONNREFUSED);
    close(carried[1]);
    UNTIL(d.id != 0); /* again, and now the server takes the other end */
    DX_CHECK_EQ(dx_link_add(&w.server, carried[1], &other), 0);
    DX_CHECK_EQ(dx_link_ready(&w.client, d.id, 0), 0);
    DX_CHECK_EQ(dx_link_ready(&w.client, d.id, 0), DX_LINK_EINVAL);
    DX_CHECK_EQ(dx_hbtp_call(dx_link_session(&w.client, d.id), ECHO, "carried", 7, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK_EQ(w.good, 1);
    carried_error = DX_LINK_EAGAIN;
    DX_CHECK_EQ(dx_link_abort(&w.server, other), 0);
    UNTIL(w.hung == 2);
    UNTIL(d.failures >= 2 && d.id == 0); /* the program has no pair: tried again later */
    DX_CHECK_EQ(dx_link_ready(&w.client, other, 0), DX_LINK_ENOTFOUND);
    dx_link_dial_end(&d);
    world_close(&w);
}

EVERY(li_7_a_prepared_link_that_is_never_ready_ends_by_its_timeout)
{
    static world w;
    dx_link_id id;
    int pair[2];
    memset(&w, 0, sizeof w);
    w.d.connect_ns = 50 * MS;
    world_open(&w, backend);
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    DX_CHECK_EQ(dx_link_prepare(&w.client, -1, &id), DX_LINK_EINVAL);
    DX_CHECK_EQ(dx_link_prepare(&w.client, pair[0], &id), 0);
    UNTIL(w.hung == 1);
    DX_CHECK_EQ(w.client_reason, -ETIMEDOUT);
    close(pair[1]);
    world_close(&w);
}

EVERY(li_7_where_nobody_is_a_dialer_tries_again_later_and_later)
{
    static world w;
    static dx_link_dialer d;
    dx_reactor_address nowhere;
    uint64_t before = 0;
    int fd;
    world_new(&w, backend);
    DX_CHECK_EQ(dx_reactor_address_parse(&nowhere, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&w.l.r, &nowhere, 0, 0, &fd, &nowhere), 0);
    close(fd);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d, &nowhere, 7), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        uint64_t delay;
        UNTIL(w.hung == i);
        delay = d.due_ns_ - dx_reactor_now_ns(&w.l.r);
        DX_CHECK(d.failures == i && d.reason == -ECONNREFUSED && d.id == 0);
        DX_CHECK(delay > before && delay <= (100 << i) * MS && delay >= (50 << i) * MS - 20 * MS);
        before = (50 << i) * MS - 20 * MS; /* the next delay is about twice as long */
    }
    dx_link_dial_end(&d);
    world_close(&w);
}

EVERY(li_7_a_dialer_leaves_a_link_that_its_peer_drains)
{
    static world w;
    static dx_link_dialer d;
    dx_link_id first;
    world_of_version_2(&w);
    world_open(&w, backend);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d, &w.at, 7), 0);
    first = d.id;
    DX_CHECK_EQ(dx_hbtp_call(dx_link_session(&w.client, first), LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 600 * S);
    UNTIL(w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    DX_CHECK(d.id == 0 && dx_link_session(&w.client, first) != NULL);
    dx_link_dial_end(&d);
    DX_CHECK_EQ(dx_hbtp_reply(dx_link_session(&w.server, w.id), w.later[0], "done", 4), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK_EQ(w.good, 1);
    world_close(&w);
}

EVERY(li_7_a_peer_that_drains_and_never_closes_has_an_end)
{
    static world w;
    static dx_link_dialer d;
    world_of_version_2(&w);
    w.d.leave_ns = 50 * MS;
    world_open(&w, backend);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d, &w.at, 7), 0);
    DX_CHECK_EQ(dx_hbtp_call(dx_link_session(&w.client, d.id), LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 600 * S); /* the answer never comes */
    UNTIL(w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    dx_link_dial_end(&d);
    DX_CHECK_EQ(w.hung, 0);
    UNTIL(w.hung == 1 && w.closed == 1);
    DX_CHECK(w.client_reason == -ETIMEDOUT && w.results == 1 && w.error == DX_HBTP_ECANCELED);
    world_close(&w);
}

EVERY(li_1_the_reactor_is_closed_with_links_open)
{
    static world w;
    dx_link_id id[5];
    world_new(&w, backend);
    for (int i = 0; i < 5; i++)
        DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id[i]), LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 5);
    world_close(&w);
    DX_CHECK(w.hung == 5 && w.results == 5 && w.error == DX_HBTP_ECANCELED);
}

/* A link to a port whose queue is full: it never gets established. */
static dx_hbtp_session *dial_nobody(world *w, dx_link_id *id)
{
    struct sockaddr_in a = {0};
    dx_reactor_address at = w->at;
    socklen_t size = sizeof a;
    const int full = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    DX_CHECK(bind(full, (struct sockaddr *)&a, sizeof a) == 0 && listen(full, 0) == 0);
    DX_CHECK_EQ(getsockname(full, (struct sockaddr *)&a, &size), 0);
    for (int i = 0; i < 4; i++) {
        const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        (void)connect(fd, (struct sockaddr *)&a, sizeof a);
    }
    memcpy(at.bytes, &a, sizeof a);
    DX_CHECK_EQ(dx_link_connect(&w->client, &at, id), 0);
    return dx_link_session(&w->client, *id);
}

EVERY(li_1_a_request_expires_before_its_link_has_come_about)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    w.d.connect_ns = 300 * MS;
    w.d.session.keepalive_ns = 20 * MS; /* not in effect yet */
    world_open(&w, backend);
    s = dial_nobody(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, dx_reactor_refresh_now_ns(&w.l.r) + 30 * MS, NULL, NULL), 0);
    UNTIL(w.results == 1);
    DX_CHECK(w.error == DX_HBTP_ETIMEDOUT && w.hung == 0 && dx_link_session(&w.client, id) == s);
    DX_CHECK_EQ(s->state == DX_HBTP_CLOSED, 0);
    UNTIL(w.hung == 1);
    DX_CHECK_EQ(w.client_reason, -ETIMEDOUT);
    world_close(&w);
}

EVERY(li_1_any_time_is_not_a_time_that_is_over)
{
    static world w;
    dx_link_id id, other;
    uint64_t begun;
    memset(&w, 0, sizeof w);
    w.d.connect_ns = UINT64_MAX;
    w.d.linger_ns = UINT64_MAX;
    w.d.session.keepalive_ns = UINT64_MAX;
    w.d.session.frame_ns = UINT64_MAX;
    world_open(&w, backend);
    dial_nobody(&w, &other);
    begun = now_ns();
    UNTIL(now_ns() - begun > 30 * MS);
    DX_CHECK(w.hung == 0 && dx_link_session(&w.client, other) != NULL);
    DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id), ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.good == 1);
    DX_CHECK_EQ(dx_link_close(&w.client, id, 0, NULL), 0);
    UNTIL(w.hung == 1 && w.closed == 1);
    DX_CHECK(w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

EVERY(li_3_behind_an_abort_nothing_is_handled)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    s = world_of_two(&w, backend, on_abort_at_once, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, OWN, "1", 1, UINT64_MAX, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_hbtp_call(s, LATER, "2", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.tries == 1 && w.later_count == 0 && w.results == 4);
    world_close(&w);
}

EVERY(li_4_a_drain_is_told_when_there_is_a_number_for_it_and_told_once)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    dx_hbtp_session *back;
    world_of_version_2(&w);
    w.d.session.pending_max = 2;
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.results == 1);
    back = dx_link_session(&w.server, w.id);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_call(back, LATER, "2", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 2);
    dx_link_drain(&w.server, 600 * S);
    dx_link_drain(&w.server, 600 * S);
    DX_CHECK(w.events[1][DX_HBTP_EVENT_DRAIN] == 0);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_reply(s, w.later[i], "3", 1), 0);
    UNTIL(w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.results == 3 && w.good == 3 && w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    DX_CHECK(w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

EVERY(li_4_both_sides_drain_at_once)
{
    static world w;
    dx_link_id id;
    world_of_version_2(&w);
    world_open(&w, backend);
    DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id), LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 600 * S);
    dx_link_drain(&w.client, 600 * S);
    UNTIL(w.events[0][DX_HBTP_EVENT_DRAIN] == 1 && w.events[1][DX_HBTP_EVENT_DRAIN] == 1);
    DX_CHECK_EQ(dx_hbtp_reply(dx_link_session(&w.server, w.id), w.later[0], "done", 4), 0);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.good == 1 && w.reason == 0 && w.client_reason == 0);
    world_close(&w);
}

EVERY(li_7_dialers_are_used_once_and_ended_anywhere)
{
    static world w;
    static dx_link_dialer d[3], unused;
    dx_reactor_address none;
    memset(&w, 0, sizeof w);
    memset(&none, 0, sizeof none);
    world_open(&w, backend);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d[0], &none, 1), DX_LINK_EINVAL); /* will never be established */
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_link_dial(&w.client, &d[i], &w.at, 1), 0);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d[1], &w.at, 1), DX_LINK_EINVAL);
    dx_link_dial_end(&d[1]);
    dx_link_dial_end(&d[1]);
    dx_link_dial_end(&unused);
    DX_CHECK_EQ(dx_link_dial(&w.client, &d[1], &w.at, 1), 0);
    UNTIL(w.opened == 4);
    dx_link_drain(&w.client, S);
    DX_CHECK_EQ(dx_link_dial(&w.client, &unused, &w.at, 1), DX_LINK_ECANCELED);
    UNTIL(w.hung == 4);
    for (int i = 0; i < 3; i++) dx_link_dial_end(&d[i]);
    world_close(&w);
}

/* Memory sizes never wrap, not even with 32-bit numbers. */
DX_TEST(li_0_no_size_wraps)
{
    static const uint64_t sizes[] = {256, 4096, 1u << 20, 1u << 28, (1u << 29) - 1, 3u << 30, 25u << 27, UINT32_MAX};
    static const dx_hbtp_codec codec; /* a third buffer */
    for (unsigned i = 0; i < 8 * 8 * 8; i++) {
        const uint64_t out = sizes[i % 8], payload = sizes[i / 8 % 8], links = sizes[i / 64] >> 8;
        dx_link_desc d;
        uint64_t least;
        size_t size;
        memset(&d, 0, sizeof d);
        d.links_max = (uint32_t)links;
        d.out_size = (uint32_t)out;
        d.session.payload_max = (uint32_t)payload;
        d.session.codec = &codec;
        d.block_size = 1 << 14;
        d.block_count = (uint32_t)(out >> 14) + 1;
        size = dx_link_memory_size(&d);
        least = links * (out + 2 * payload) + out;
        DX_CHECK(!size || size >= least);
    }
}

DX_TEST(li_0_what_cannot_work_is_refused)
{
    static world w;
    dx_link l;
    dx_link_desc d;
    dx_hbtp_cipher cipher;
    clean();
    memset(&w, 0, sizeof w);
    memset(&d, 0, sizeof d);
    memset(&cipher, 0, sizeof cipher);
    DX_CHECK(dx_link_memory_size(&d) > 0 && dx_link_memory_size(NULL) == 0);
    d.block_size = 12;
    DX_CHECK_EQ(dx_link_memory_size(&d), 0);
    d.block_size = 1000;
    d.session.payload_max = 989;
    DX_CHECK(dx_link_memory_size(&d) > 0); /* a buffer of its own */
    d.session.in_place = true;
    DX_CHECK_EQ(dx_link_memory_size(&d), 0);
    d.session.payload_max = 988;
    DX_CHECK(dx_link_memory_size(&d) > 0);
    d.block_count = 4;
    DX_CHECK_EQ(dx_link_memory_size(&d), 0); /* an answer might never fit */
    d.block_count = 0;
    d.session.cipher = &cipher;
    DX_CHECK_EQ(dx_link_memory_size(&d), 0);
    d.session.cipher = NULL;
    DX_CHECK_EQ(dx_link_open(&l, NULL, &d), DX_LINK_EINVAL);
    w.l.desc.buffer_count = 8;
    loop_open(&w.l, DX_REACTOR_BACKEND_EPOLL);
    DX_CHECK_EQ(dx_link_open(&l, &w.l.r, &d), DX_LINK_ENOMEM);
    DX_CHECK_EQ(dx_link_wake(NULL, 1), DX_LINK_EINVAL);
    DX_CHECK(!strcmp(dx_link_error_name(-6), "DX_LINK_EAGAIN") && !strcmp(dx_link_error_name(5), "unknown error"));
    loop_close(&w.l);
}

/* >>model --------------------------------------------------------------

   Links of two sets on one simulated reactor: one accepts, the other connects; both call each other and stream, answer
   at once, later, with an error or after several tries, close, and are cut. Buffers are so small that all are full most
   of the time. Some links are of version 2; some calls have a deadline or are cancelled; every callback may do whatever
   the program may do: call, connect, wake, close, cut, drain. Whatever happens,

       every call ends exactly once, with its own answer;
       every byte of a stream arrives, once and in order, or the stream ends with an error on both sides;
       every link ends exactly once; nothing leaks;
       if nothing is broken on purpose, nothing is lost, and nothing waits for a timeout. */
enum { CALLS = 300, TRACKS = 40, OPEN = 6, PENDING = 64, MODEL_BLOCKS = 64, MODEL_BLOCK = 700 };

typedef struct call {
    int        side;
    dx_link_id id;
    uint32_t   ended;
    uint16_t   size;
    uint16_t   sequence;
} call;

typedef struct track { /* a stream, from its opening side to the other */
    int             from;
    dx_link_id      id[2];   /* of the link on each side; the second once it is known there */
    uint32_t        handle[2];
    uint64_t        want, sent, got;
    uint32_t        over[2]; /* how often each side was told of its end */
    int             error[2];
    bool            open[2], finished, refused;
} track;

typedef struct answer { /* to be given later */
    int        side;
    dx_link_id id;
    uint16_t   sequence;
    uint16_t   size;
    uint8_t    bytes[256];
} answer;

static struct model {
    dx_reactor     r;
    dx_link        sets[2];   /* 0: accepts, 1: connects */
    dx_hbtp_router router;
    dx_link_id     open[OPEN]; /* of side 1 */
    dx_link_id     accepted[64];
    call           calls[CALLS];
    track          tracks[TRACKS];
    answer         answers[PENDING];
    uint32_t       call_count, track_count, answer_count, accepted_count;
    uint32_t       dialled, closed[2], opened, lost;
    uint32_t       good, refused;
    uint64_t       random, moved;
    dx_hbtp_hello  hello;
    dx_reactor_address at;
    bool           real;      /* not simulated: time is real */
    bool           inside;    /* a callback that acts */
    bool           peace;     /* nothing is broken, neither by the system nor by the test */
    bool           calm;      /* no more faults: let everything finish */
} m;

static uint32_t some_number(uint32_t below)
{
    m.random ^= m.random << 13;
    m.random ^= m.random >> 7;
    m.random ^= m.random << 17;
    return (uint32_t)(((m.random >> 32) * below) >> 32);
}

static int side_of(const dx_hbtp_session *s) { return dx_link_of(s) == &m.sets[1]; }

/* The arguments of a call: its number, then a pattern that belongs to it. */
static void call_fill(uint8_t *bytes, uint32_t number)
{
    for (uint32_t i = 0; i < m.calls[number].size; i++) bytes[i] = pattern((uint64_t)number * 1000 + i);
    bytes[0] = (uint8_t)number;
    bytes[1] = (uint8_t)(number >> 8);
}

static void model_act(void);

/* A random action that a callback may take. */
static void model_trouble(void)
{
    if (m.calm || m.peace || m.inside || some_number(12)) return;
    m.inside = true;
    model_act();
    m.inside = false;
}

static int model_handler(const dx_hbtp_context *c)
{
    const uint32_t what = m.calm ? 0 : some_number(10);
    answer *a;
    DX_CHECK(c->session->state != DX_HBTP_CLOSED); /* nothing is handled after the end */
    model_trouble();
    a = &m.answers[m.answer_count];
    if (what == 0) return DX_HBTP_STATUS_UNAVAILABLE;
    if (what == 1) return DX_HBTP_EAGAIN;
    if (what < 4 && m.answer_count < PENDING) {
        m.answer_count++;
        a->side = side_of(c->session);
        a->id = dx_link_id_of(c->session);
        a->sequence = c->frame->sequence;
        a->size = (uint16_t)c->payload_size;
        memcpy(a->bytes, c->payload, c->payload_size);
        return DX_HBTP_LATER;
    }
    return on_echo(c);
}

static void model_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    call *k = (call *)r->user;
    uint8_t bytes[256];
    DX_CHECK(side_of(s) == k->side && k->ended == 0);
    k->ended++;
    model_trouble();
    if (r->error) {
        DX_CHECK(r->error == DX_HBTP_EREMOTE || !m.peace);
        m.refused++;
        return;
    }
    DX_CHECK_EQ(r->payload_size, k->size);
    call_fill(bytes, (uint32_t)(k - m.calls));
    DX_CHECK(!memcmp(bytes, r->payload, k->size));
    m.good++;
}

/* Send as much of it as possible, then its end. */
static void track_push(track *t)
{
    dx_hbtp_session *s = dx_link_session(&m.sets[t->from], t->id[0]);
    uint8_t bytes[300];
    while (s && t->open[0] && t->sent < t->want) {
        size_t size = t->want - t->sent < sizeof bytes ? (size_t)(t->want - t->sent) : sizeof bytes;
        int64_t n;
        for (size_t i = 0; i < size; i++) bytes[i] = pattern(t->sent + i);
        n = dx_hbtp_send(s, t->handle[0], bytes, size);
        DX_CHECK(n >= 0);
        t->sent += (uint64_t)n;
        if (!n) return;
    }
    if (s && t->open[0] && !t->finished) {
        const int error = dx_hbtp_finish(s, t->handle[0], 0, NULL);
        DX_CHECK(!error || error == DX_HBTP_ENOSPACE);
        t->finished = !error;
    }
}

static int model_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    track *t = (track *)e->user;
    int at; /* 0: the side that opened it */
    if (e->kind == DX_HBTP_STREAM_OPENED) {
        DX_CHECK_EQ(e->size, 1);
        t = &m.tracks[e->data[0]];
        DX_CHECK(t->from != side_of(s) && !t->open[1] && !t->over[1]);
        t->open[1] = true;
        t->id[1] = dx_link_id_of(s);
        t->handle[1] = e->stream;
        e->user = t;
        return dx_hbtp_grant(s, e->stream, 200 + some_number(300));
    }
    DX_CHECK(t);
    at = t->from != side_of(s);
    if (e->kind == DX_HBTP_STREAM_CHUNK) {
        DX_CHECK(!at || t->open[1]);
        for (size_t i = 0; i < e->size; i++) DX_CHECK_EQ(e->data[i], pattern(t->got + i));
        t->got += e->size;
        m.moved += e->size;
        model_trouble();
        return e->size && t->open[at] ? dx_hbtp_grant(s, e->stream, (uint32_t)e->size) : 0;
    }
    if (e->kind == DX_HBTP_STREAM_FINISHED && at) DX_CHECK_EQ(t->got, t->want);
    if (e->kind == DX_HBTP_STREAM_ENDED) {
        t->over[at]++;
        t->open[at] = false;
        t->error[at] = e->error;
        t->refused = e->error == DX_HBTP_EREMOTE && e->status == DX_HBTP_STATUS_TOO_MANY;
        DX_CHECK_EQ(t->over[at], 1);
        DX_CHECK(e->error || t->got == t->want);
    }
    return 0;
}

static void model_opened(dx_link *l, dx_link_id id)
{
    if (l == &m.sets[0]) {
        m.opened++;
        if (m.accepted_count < 64) m.accepted[m.accepted_count++] = id;
    }
    model_trouble();
}

static void model_writable(dx_link *l, dx_link_id id)
{
    for (uint32_t i = 0; i < m.track_count; i++)
        if (&m.sets[m.tracks[i].from] == l && m.tracks[i].id[0] == id && some_number(2)) track_push(&m.tracks[i]);
    model_trouble();
}

static void model_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    (void)frame;
    DX_CHECK(event != DX_HBTP_EVENT_DUPLICATE && dx_link_of(s)->count > 0);
    model_trouble();
}

static void model_cancel(dx_hbtp_session *s, uint16_t sequence)
{
    (void)s;
    (void)sequence;
    model_trouble();
}

static void model_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    const int side = l == &m.sets[1];
    m.closed[side]++;
    if (reason) m.lost++;
    for (int i = 0; side && i < OPEN; i++)
        if (m.open[i] == id) m.open[i] = 0;
    for (uint32_t i = 0; !side && i < m.accepted_count; i++)
        if (m.accepted[i] == id) m.accepted[i--] = m.accepted[--m.accepted_count];
    model_trouble();
}

static dx_link_id some_link(int side)
{
    if (side) return m.open[some_number(OPEN)];
    return m.accepted_count ? m.accepted[some_number(m.accepted_count)] : 0;
}

static void model_call(dx_hbtp_session *s, int side)
{
    call *k = &m.calls[m.call_count];
    uint64_t deadline_ns = UINT64_MAX;
    uint8_t bytes[256];
    int error;
    if (m.call_count == CALLS) return;
    if (!m.peace && some_number(4) == 0) deadline_ns = dx_reactor_now_ns(&m.r) + some_number(40) * MS;
    k->side = side;
    k->id = dx_link_id_of(s);
    k->size = (uint16_t)(2 + some_number(200));
    call_fill(bytes, m.call_count);
    error = dx_hbtp_call(s, 1, bytes, k->size, deadline_ns, k, &k->sequence);
    DX_CHECK(!error || error == DX_HBTP_ENOSPACE || error == DX_HBTP_EAGAIN || error == DX_HBTP_ECANCELED);
    m.call_count += !error;
}

static void model_open(dx_hbtp_session *s, int side, dx_link_id id)
{
    track *t = &m.tracks[m.track_count];
    uint8_t number = (uint8_t)m.track_count;
    if (m.track_count == TRACKS) return;
    memset(t, 0, sizeof *t);
    if (dx_hbtp_open(s, 9, &number, 1, 0, t, &t->handle[0])) return;
    t->from = side;
    t->id[0] = id;
    t->want = some_number(4000);
    t->open[0] = true;
    m.track_count++;
}

/* Give a delayed answer, or drop it if its link is gone. */
static void model_answer(uint32_t i)
{
    answer *a = &m.answers[i];
    dx_hbtp_session *s = dx_link_session(&m.sets[a->side], a->id);
    const int error = s ? dx_hbtp_reply(s, a->sequence, a->bytes, a->size) : 0;
    if (error == DX_HBTP_ENOSPACE) return;
    DX_CHECK(!error || error == DX_HBTP_ECANCELED);
    *a = m.answers[--m.answer_count];
}

static void model_give_up(const call *k)
{
    dx_hbtp_session *s = dx_link_session(&m.sets[k->side], k->id);
    if (!k->ended) DX_CHECK_EQ(dx_hbtp_cancel(s, k->sequence), 0);
}

static void model_act(void)
{
    const int side = (int)some_number(2);
    const uint32_t slot = some_number(OPEN);
    const dx_link_id id = some_link(side);
    dx_hbtp_session *s = dx_link_session(&m.sets[side], id);
    const uint32_t what = some_number(100);
    if (!m.open[slot]) {
        m.dialled += dx_link_connect(&m.sets[1], &m.at, &m.open[slot]) == 0;
    } else if (what < 60) {
        if (s) model_call(s, side);
    } else if (what < 75) {
        if (s) model_open(s, side, id);
    } else if (what < 85 && m.answer_count) {
        model_answer(some_number(m.answer_count));
    } else if (what < 87) {
        (void)dx_link_wake(&m.sets[side], id);
    } else if (what == 87 && !m.peace) {
        (void)dx_link_close(&m.sets[side], id, 0, NULL);
    } else if (what == 88 && !m.peace) {
        (void)dx_link_abort(&m.sets[side], id);
    } else if (what == 89 && !m.peace && !m.real) { /* a peer that is no longer accepted waits for long */
        if (some_number(30) == 0) dx_link_drain(&m.sets[side], some_number(200) * MS);
    } else if (what == 90 && !m.peace && m.call_count) {
        model_give_up(&m.calls[some_number(m.call_count)]);
    } else if (m.track_count) {
        track_push(&m.tracks[some_number(m.track_count)]);
    }
}

static void model_set(int side)
{
    static uint64_t memory[2][1 << 16];
    dx_link_desc d;
    memset(&d, 0, sizeof d);
    d.links_max = side ? OPEN : OPEN + 4;
    d.out_size = 1200;
    d.session.reply_room = 4 * 220; /* the answers to all requests that the other may have open: no mutual waiting */
    d.block_count = MODEL_BLOCKS;
    d.block_size = MODEL_BLOCK;
    d.high_water = 700;
    d.session.router = &m.router;
    d.session.in_place = some_number(2) != 0;
    d.session.on_result = model_result;
    d.session.on_stream = model_stream;
    d.session.on_event = model_event;
    d.session.on_cancel = model_cancel;
    d.hello = side && some_number(2) ? &m.hello : NULL;
    d.connect_ns = some_number(2) ? UINT64_MAX : 0;
    d.linger_ns = m.real ? 100 * MS : 0; /* some are in a queue from which they are never accepted */
    d.session.outstanding_max = 4;
    d.session.streams_max = 6;
    d.session.frames_max = 1 + some_number(8);
    d.session.pending_max = 1 + some_number(8);
    d.opened = model_opened;
    d.writable = model_writable;
    d.closed = model_closed;
    d.memory = memory[side];
    d.memory_size = dx_link_memory_size(&d);
    DX_CHECK(d.memory_size && d.memory_size <= sizeof memory[0]);
    DX_CHECK_EQ(dx_link_open(&m.sets[side], &m.r, &d), 0);
}

static bool model_is_over(void)
{
    for (uint32_t i = 0; i < m.call_count; i++)
        if (!m.calls[i].ended) return false;
    for (uint32_t i = 0; i < m.track_count; i++)
        if (!m.tracks[i].over[0]) return false;
    return true;
}

/* No more faults: answer everything, finish every stream, and check that all of it ends. */
static void model_settle(void)
{
    uint32_t turns = 0;
    m.calm = true;
    while (!model_is_over() && turns++ < 100000) {
        for (uint32_t i = m.answer_count; i; i--) model_answer(i - 1);
        for (uint32_t i = 0; i < m.track_count; i++) {
            track *t = &m.tracks[i];
            dx_hbtp_session *s = t->open[1] ? dx_link_session(&m.sets[!t->from], t->id[1]) : NULL;
            track_push(t);
            if (s && t->got == t->want && t->finished) (void)dx_hbtp_finish(s, t->handle[1], 0, NULL);
        }
        DX_CHECK(dx_reactor_run_once(&m.r, (int64_t)MS) >= 0);
    }
    DX_CHECK(model_is_over());
}

static void model_run(int backend, dx_reactor_sim *sim, uint32_t acts, uint64_t seed, bool peace)
{
    static uint64_t memory[1 << 16];
    dx_reactor_desc desc;
    dx_reactor_address any;
    uint64_t begun;
    uint32_t open_before;
    int listening = -1;
    memset(&desc, 0, sizeof desc);
    memset(&m, 0, sizeof m);
    m.random = seed * 2654435761u + 88172645463325252u;
    m.peace = peace;
    m.real = !sim;
    m.hello.credit = some_number(500);
    desc.backend = backend;
    desc.simulator = sim ? &sim->base : NULL;
    desc.memory = memory;
    desc.pending_max = 300;
    desc.descriptors_max = 64;
    desc.queue_entries = 16;
    desc.completion_entries = 32;
    desc.buffer_count = 8;
    desc.buffer_size = 512;
    desc.memory_size = dx_reactor_memory_size(&desc);
    DX_CHECK(desc.memory_size && desc.memory_size <= sizeof memory);
    if (dx_reactor_open(&m.r, &desc) != 0) skip_refused(&m.r, &desc);
    open_before = sim ? sim->open : 0;
    DX_CHECK_EQ(dx_hbtp_router_init(&m.router), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&m.router, 1, model_handler, NULL), 0);
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&m.r, &any, 0, 0, &listening, &m.at), 0);
    if (some_number(2)) DX_CHECK_EQ(dx_hbtp_router_set(&m.router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &m.hello), 0);
    model_set(0);
    model_set(1);
    DX_CHECK_EQ(dx_link_listen(&m.sets[0], listening), 0);
    begun = dx_reactor_now_ns(&m.r);
    while (acts--) {
        model_act();
        if (some_number(3) == 0) DX_CHECK(dx_reactor_run_once(&m.r, 0) >= 0);
    }
    model_settle();
    if (peace) {
        DX_CHECK_EQ(m.lost, 0);
        DX_CHECK_EQ(m.closed[0] + m.closed[1], 0);
        if (sim) DX_CHECK(dx_reactor_now_ns(&m.r) - begun < 25 * S);
        for (uint32_t i = 0; i < m.track_count; i++) /* only those beyond the limit are refused */
            DX_CHECK(m.tracks[i].error[0] ? m.tracks[i].refused : m.tracks[i].got == m.tracks[i].want);
    }
    for (int i = 0; i < 2; i++) dx_link_drain(&m.sets[i], sim || peace ? 60 * S : 200 * MS);
    for (int i = 0; i < 20000 && (m.sets[0].count || m.sets[1].count); i++)
        DX_CHECK(dx_reactor_run_once(&m.r, sim ? (int64_t)S : (int64_t)MS) >= 0);
    DX_CHECK_EQ(m.sets[0].count + m.sets[1].count, 0);
    DX_CHECK(m.closed[0] == m.opened && m.closed[1] == m.dialled);
    DX_CHECK_EQ(m.sets[0].heap_count_ + m.sets[1].heap_count_, 0);
    DX_CHECK_EQ(m.sets[0].dirty_ + m.sets[1].dirty_, 0);
    DX_CHECK_EQ(m.sets[0].peers_.blocks_left_, MODEL_BLOCKS);
    DX_CHECK_EQ(m.sets[1].peers_.blocks_left_, MODEL_BLOCKS);
    DX_CHECK_EQ(dx_reactor_close(&m.r), 0);
    for (uint32_t i = 0; i < m.track_count; i++) {
        DX_CHECK_EQ(m.tracks[i].over[0], 1);
        DX_CHECK(m.tracks[i].over[1] <= 1 && !m.tracks[i].open[1]);
        if (!m.tracks[i].error[0]) DX_CHECK(m.tracks[i].got == m.tracks[i].want && m.tracks[i].over[1]);
    }
    if (sim) DX_CHECK_EQ(sim->open, open_before + 1);
    else close(listening);
}

static uint64_t model_moved, model_good;
DX_PROPERTY(li_5_links_lose_nothing_and_never_stand_still_simulated, 3000)
{
    static uint64_t memory[1 << 15];
    dx_reactor_sim sim;
    dx_reactor_sim_desc d = {0};
    const bool peace = dx_choose(c, 1) != 0;
    const uint64_t seed = dx_choose(c, UINT32_MAX);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.seed = seed;
    d.sockets = 64;
    d.buffer = 300 + (uint32_t)dx_choose(c, 900);
    d.short_transfers = (uint16_t)dx_choose(c, 20000);
    d.interrupts = (uint16_t)dx_choose(c, 3000);
    d.delays = (uint16_t)dx_choose(c, 10000);
    d.full_queues = (uint16_t)dx_choose(c, 3000);
    if (!peace) d.resets = (uint16_t)dx_choose(c, 200);
    if (!peace && dx_choose(c, 1)) d.open_max = 10;
    DX_CHECK(dx_reactor_sim_memory_size(&d) <= sizeof memory);
    DX_CHECK_EQ(dx_reactor_sim_init(&sim, &d), 0);
    model_run(DX_REACTOR_BACKEND_SIMULATED, &sim, 20 + (uint32_t)dx_choose(c, 300), seed, peace);
    model_moved += m.moved;
    model_good += m.good;
}
DX_TEST(li_5_the_simulated_runs_moved_something)
{
    if (model_moved) DX_CHECK(model_moved > 1000000 && model_good > 10000);
}

EVERY(li_5_links_lose_nothing_and_never_stand_still)
{
    clean();
    for (uint64_t i = 0; i < 20; i++) model_run(backend, NULL, 400, i + 1, i % 2 == 0);
}
