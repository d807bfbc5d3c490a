/* HBTP over the reactor: on every backend of this system with real sockets, where the other end is a link too or a plain
   socket that behaves badly; and a model of it on the simulated system. */
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
   Links of both sides on one reactor: a server with a few methods, and whoever connects to it. */
enum { ECHO = 1, LATER = 2, WAIT = 3, WHOLE = 4 }; /* methods of the server */

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
    uint8_t            last[64];         /* its bytes */
    size_t             last_size;
    uint16_t           later[64];        /* requests that are answered when the test says so */
    uint32_t           later_count;
    bool               ready;            /* WAIT may go on */
    uint32_t           tries;            /* of it */
    uint64_t           received, sent;   /* of streams */
    uint32_t           finished;
} world;

static world *now_open; /* a test that fails leaves by longjmp */

static world *world_of(const dx_hbtp_session *s) { return (world *)dx_link_of(s)->desc.user; }

static int on_echo(const dx_hbtp_context *c)
{
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

static int on_whole(const dx_hbtp_context *c) /* as much as there is ever room for */
{
    static const uint8_t nothing[3000] = {0};
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, nothing, sizeof nothing);
}

static uint8_t pattern(uint64_t i) { return (uint8_t)(i * 31 + (i >> 8)); }

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    world *w = world_of(s);
    if (e->kind == DX_HBTP_STREAM_OPENED) return dx_hbtp_grant(s, e->stream, 4000);
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        for (size_t i = 0; i < e->size; i++) DX_CHECK_EQ(e->data[i], pattern(w->received + i));
        w->received += e->size;
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
    w->last_size = r->payload_size < sizeof w->last ? r->payload_size : sizeof w->last;
    if (r->payload) memcpy(w->last, r->payload, w->last_size);
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
    d->opened = note_opened;
    d->writable = note_writable;
    d->closed = note_closed;
    d->session.router = &w->router;
    d->session.on_result = on_result;
    d->session.on_stream = on_stream;
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
    DX_CHECK_EQ(dx_reactor_address_parse(&w->at, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen_tcp(&w->l.r, &w->at, 0, 0, &w->listening, &w->at), 0);
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

/* Run until the condition holds; it does long before the time is over. */
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

/* A plain socket to the server. */
static int dial_plain(const world *w)
{
    struct sockaddr_in a;
    const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    memcpy(&a, w->at.bytes, sizeof a);
    DX_CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* What there is, without waiting. */
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    s = dial(&w, &id);
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    DX_CHECK_EQ(dx_reactor_address_parse(&nowhere, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen_tcp(&w.l.r, &nowhere, 0, 0, &fd, &nowhere), 0);
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
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
    while (quiet < 200) { /* until it takes no more */
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
    /* It reads again: everything goes on where it stood, and nothing is lost. */
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
    UNTIL(w.closed == 1); /* it reads, but does not end either */
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, WAIT, "1", 1, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(s, ECHO, "2", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.tries >= 3); /* by itself, now and then */
    DX_CHECK_EQ(w.results, 0);
    w.ready = true;
    DX_CHECK_EQ(dx_link_wake(&w.server, w.id), 0);
    UNTIL(w.results == 2);
    DX_CHECK(w.good == 2 && w.last[0] == '2');
    world_close(&w);
}

EVERY(li_3_answers_that_come_later_go_out_at_once)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    s = dial(&w, &id);
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
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    s = dial(&w, &id);
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

/* >>drain -------------------------------------------------------------- */
EVERY(li_4_a_drain_answers_what_was_asked_and_then_closes)
{
    static world w;
    dx_link_id id, idle;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
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

EVERY(li_4_a_drain_ends_in_time_whatever_the_peers_do)
{
    static world w;
    dx_link_id id;
    dx_hbtp_session *s;
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    s = dial(&w, &id);
    DX_CHECK_EQ(dx_hbtp_call(s, LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 1);
    dx_link_drain(&w.server, 40 * MS);
    UNTIL(w.closed == 1 && w.hung == 1);
    DX_CHECK(w.results == 1 && w.error == DX_HBTP_ECANCELED && w.reason == 0);
    world_close(&w);
}

EVERY(li_1_the_reactor_is_closed_with_links_open)
{
    static world w;
    dx_link_id id[5];
    memset(&w, 0, sizeof w);
    world_open(&w, backend);
    for (int i = 0; i < 5; i++)
        DX_CHECK_EQ(dx_hbtp_call(dial(&w, &id[i]), LATER, "1", 1, UINT64_MAX, NULL, NULL), 0);
    UNTIL(w.later_count == 5);
    world_close(&w);
    DX_CHECK(w.hung == 5 && w.results == 5 && w.error == DX_HBTP_ECANCELED);
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
