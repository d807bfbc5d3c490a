/* Fault injection for io_uring (reactor_faults.h) with an oracle: whatever the kernel returns, each
   operation completes exactly once, in bounded steps; nothing is cancelled unasked; every byte arrives
   in order; and no buffer is returned while the kernel still uses it. */
#define _GNU_SOURCE
#include "../reactor_faults.h"

#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include "reactor_kit.h"

#include <sys/syscall.h>

enum { PAIRS = 3, OPS = 24, SIZE = 96, STEPS_MAX = 60, BLOCK = 1 << 18, SLOT = 128 };

enum {
    RECV, SEND, ZERO_COPY, POOLED, FILE_WRITE, FILE_READ, SYNC, TIMER, DEADLINE, POLL, RECEIVE, ACCEPT,
    CLOSE, KINDS
};

typedef struct one { /* an operation and its known state */
    dx_op    op;
    int      kind, pair, side;
    bool     pending, asked; /* asked: to end, by a cancel, a deadline or a close */
    uint64_t at;             /* the position of its bytes in the stream */
    uint8_t  bytes[SIZE];
    dx_reactor_message message[2];
} one;

typedef struct stream { /* one direction of a connection */
    uint64_t sent, received;
    bool     sending, lost;
} stream;

typedef struct world {
    loop     l; /* first: callbacks cast it back to world */
    one      ops[OPS];
    int      fds[PAIRS][2];
    bool     closed[PAIRS][2];
    stream   streams[PAIRS][2]; /* by the sending side */
    int      file, listener;
    uint8_t  slots[OPS]; /* the file's content at each operation's offset; 0: none, or uncertain */
    uint64_t started, ended;
    bool     failing; /* the reactor is closing: pool buffers need not be returned */
} world;

static world   *the_world;
static uint8_t *block; /* for large sends: zeros */

static uint8_t byte_at(int pair, int side, uint64_t position)
{
    uint64_t x = (position + 1) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)(pair * 2 + side);
    return (uint8_t)(x >> 56);
}

/* >>oracle ------------------------------------------------------------- */
static void check_bytes(world *w, one *o, const uint8_t *bytes, int32_t count)
{
    stream *from = &w->streams[o->pair][!o->side];
    if (from->lost || count <= 0) return;
    for (int32_t i = 0; i < count; i++)
        DX_CHECK_EQ(bytes[i], byte_at(o->pair, !o->side, from->received + (uint32_t)i));
    from->received += (uint32_t)count;
}

/* A connection whose bytes are no longer tracked: it was reset, or zeros were sent. */
static void lose(world *w, int pair)
{
    w->streams[pair][0].lost = w->streams[pair][1].lost = true;
}

/* Ask one operation to end. The first pair is TCP, where ending a zero-copy send resets the
   connection. */
static void ask(world *w, one *o)
{
    o->asked = true;
    if (o->kind == ZERO_COPY && o->pair == 0) lose(w, 0);
}

static void check_result(world *w, one *o, int32_t result)
{
    const bool lost = o->kind <= POOLED && w->streams[o->pair][0].lost;
    switch (result) {
    case -ECANCELED:
        DX_CHECK(o->asked || o->kind == DEADLINE);
        return;
    case -ETIMEDOUT:
        DX_CHECK(o->asked);
        return;
    case -ENOBUFS:
    case -EBADF:
        return; /* the table of descriptors is small; one is being closed */
    case -ECONNRESET:
    case -EPIPE:
    case -ENOTCONN:
        DX_CHECK(lost || o->kind == SEND || o->kind == ZERO_COPY || o->kind == POLL);
        return;
    default:
        DX_CHECK(result >= 0);
    }
    if (o->kind == FILE_WRITE) DX_CHECK_EQ(result, SLOT);
    if (o->kind == SEND || o->kind == ZERO_COPY)
        DX_CHECK_EQ(result, (int32_t)dx_reactor_op_transferred(&o->op));
}

static bool on_loan(const one *o)
{
    const faults_ring *g = faults_of(the_world->l.r.poll_fd_);
    for (size_t i = 0; g && i < g->held_count; i++)
        if (g->held[i].cqe.user_data == (uint64_t)(uintptr_t)&o->op) return true;
    return false;
}

static void took(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    world *w = (world *)(void *)r;
    one *o = (one *)dx_reactor_op_user(op);
    stream *s = &w->streams[o->pair][o->side];
    DX_CHECK(o->pending);
    if (flags & DX_REACTOR_F_BUFFER) {
        DX_CHECK_EQ(o->kind, POOLED);
        check_bytes(w, o, (const uint8_t *)dx_reactor_buffer(r, flags), result);
        DX_CHECK_EQ(dx_reactor_return_buffer(r, flags), 0);
    }
    if (flags & DX_REACTOR_F_MORE) {
        if (o->kind == ACCEPT) close(result);
        return;
    }
    DX_CHECK(!dx_reactor_op_pending(op));
    DX_CHECK(!on_loan(o));
    o->pending = false;
    w->ended++;
    if ((o->kind == SEND || o->kind == ZERO_COPY) && result < 0 && result != -EBADF && result != -ENOBUFS &&
        (result != -ECANCELED || o->kind == ZERO_COPY) && (result != -ETIMEDOUT || o->kind == ZERO_COPY))
        lose(w, o->pair);
    if (o->kind == RECV && result == -ECONNRESET) lose(w, o->pair);
    check_result(w, o, result);
    if (o->kind == RECV) check_bytes(w, o, o->bytes, result);
    if (o->kind == SEND || o->kind == ZERO_COPY) {
        s->sending = false;
        s->sent += dx_reactor_op_transferred(op);
    }
    if (o->kind == FILE_WRITE) w->slots[o - w->ops] = result == SLOT ? (uint8_t)o->at : 0;
    if (o->kind == FILE_READ && result >= 0 && o->at) {
        DX_CHECK_EQ(result, SIZE);
        for (int i = 0; i < SIZE; i++) DX_CHECK_EQ(o->bytes[i], (uint8_t)o->at);
    }
}

/* >>steps -------------------------------------------------------------- */
static void note_start(world *w, one *o, int kind, int error)
{
    if (error == DX_REACTOR_EAGAIN) return;
    DX_CHECK_EQ(error, 0);
    o->kind = kind;
    o->pending = true;
    o->asked = false;
    w->started++;
}

static void start_send(world *w, one *o, dx_choices *c, bool zero_copy)
{
    stream *s = &w->streams[o->pair][o->side];
    const bool large = zero_copy && dx_choose(c, 3) == 0;
    const uint32_t size = large ? BLOCK : 1 + (uint32_t)dx_choose(c, SIZE - 1);
    const uint8_t *data = large ? block : o->bytes;
    const int fd = w->fds[o->pair][o->side];
    if (s->sending) return;
    if (large) lose(w, o->pair);
    for (uint32_t i = 0; i < size && !large; i++) o->bytes[i] = byte_at(o->pair, o->side, s->sent + i);
    if (zero_copy) note_start(w, o, ZERO_COPY, dx_reactor_send_zero_copy(&w->l.r, &o->op, fd, data, size));
    else note_start(w, o, SEND, dx_reactor_send(&w->l.r, &o->op, fd, data, size));
    s->sending = o->pending;
}

static void start_file(world *w, one *o, dx_choices *c, int kind)
{
    static uint8_t content[256][SLOT];
    const uint64_t at = (uint64_t)(o - w->ops) * SLOT;
    dx_reactor *r = &w->l.r;
    if (kind == FILE_WRITE) {
        o->at = 1 + dx_choose(c, 254);
        memset(content[o->at], (int)o->at, SLOT);
        w->slots[o - w->ops] = 0;
        note_start(w, o, kind, dx_reactor_write(r, &o->op, w->file, content[o->at], SLOT, at));
    } else if (kind == FILE_READ) {
        o->at = w->slots[o - w->ops];
        note_start(w, o, kind, dx_reactor_read(r, &o->op, w->file, o->bytes, SIZE, at));
    } else {
        note_start(w, o, kind, dx_reactor_fsync(r, &o->op, w->file, dx_choose(c, 1) != 0));
    }
}

static void start_limit(world *w, one *o, dx_choices *c)
{
    one *target = &w->ops[dx_choose(c, OPS - 1)];
    int error;
    if (target == o) return;
    error = dx_reactor_deadline(&w->l.r, &o->op, &target->op, dx_choose(c, 1000) * 1000);
    if (error == DX_REACTOR_EINVAL || error == DX_REACTOR_ENOTFOUND) return;
    note_start(w, o, DEADLINE, error);
    if (!error) ask(w, target);
}

static void ask_all(world *w, int pair, int side)
{
    for (int i = 0; i < OPS; i++)
        if (pair < 0 || (w->ops[i].kind <= POOLED && w->ops[i].pair == pair && w->ops[i].side == side) ||
            (w->ops[i].kind == POLL && w->ops[i].pair == pair && w->ops[i].side == side))
            ask(w, &w->ops[i]);
}

static void start_close(world *w, one *o)
{
    const int fd = w->fds[o->pair][o->side];
    ask_all(w, o->pair, o->side);
    lose(w, o->pair);
    note_start(w, o, CLOSE, dx_reactor_close_fd(&w->l.r, &o->op, fd));
    w->closed[o->pair][o->side] = o->pending;
}

static void start(world *w, one *o, dx_choices *c)
{
    const int kind = (int)dx_choose(c, KINDS - 1);
    dx_reactor *r = &w->l.r;
    int fd;
    o->pair = (int)dx_choose(c, PAIRS - 1);
    o->side = (int)dx_choose(c, 1);
    fd = w->fds[o->pair][o->side];
    if ((kind <= POOLED || kind == POLL || kind == CLOSE) && w->closed[o->pair][o->side]) return;
    switch (kind) {
    case RECV:
        note_start(w, o, kind, dx_reactor_recv(r, &o->op, fd, o->bytes, 1 + (uint32_t)dx_choose(c, SIZE - 1)));
        break;
    case SEND:
    case ZERO_COPY: start_send(w, o, c, kind == ZERO_COPY); break;
    case POOLED: note_start(w, o, kind, dx_reactor_recv_multishot(r, &o->op, fd)); break;
    case FILE_WRITE:
    case FILE_READ:
    case SYNC: start_file(w, o, c, kind); break;
    case TIMER: note_start(w, o, kind, dx_reactor_timer(r, &o->op, dx_choose(c, 300) * 1000)); break;
    case DEADLINE: start_limit(w, o, c); break;
    case POLL: note_start(w, o, kind, dx_reactor_poll(r, &o->op, fd, 1 + (uint32_t)dx_choose(c, 2))); break;
    case RECEIVE: note_start(w, o, kind, dx_reactor_receive(r, &o->op, o->message, 2)); break;
    case ACCEPT: note_start(w, o, kind, dx_reactor_accept_multishot(r, &o->op, w->listener)); break;
    case CLOSE:
        if (dx_choose(c, 7) == 0) start_close(w, o);
        break;
    default: break;
    }
}

static void cancel(world *w, dx_choices *c)
{
    one *o = &w->ops[dx_choose(c, OPS - 1)];
    int error = dx_reactor_cancel(&w->l.r, &o->op);
    DX_CHECK_EQ(error == DX_REACTOR_ENOTFOUND, !o->pending);
    if (error == DX_REACTOR_OK) ask(w, o);
}

static void step(world *w, dx_choices *c)
{
    const uint64_t what = dx_choose(c, 15);
    dx_reactor_message m = {{1, 2, 3}};
    one *o = &w->ops[dx_choose(c, OPS - 1)];
    if (what < 9) {
        if (!o->pending) start(w, o, c);
    } else if (what < 11) {
        cancel(w, c);
    } else if (what == 11) {
        if (dx_choose(c, 1)) dx_reactor_post(&w->l.r, &m);
        else dx_reactor_wake(&w->l.r);
    } else {
        DX_CHECK(dx_reactor_run_once(&w->l.r, (int64_t)dx_choose(c, 3) * 50000) >= 0);
    }
}

/* >>run ---------------------------------------------------------------- */
static void connect_tcp(world *w, int *ends)
{
    const struct linger reset = {1, 0}; /* no port stays in TIME_WAIT */
    tcp_pair(&w->l, ends);
    for (int i = 0; i < 2; i++) setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

static void begin(world *w, dx_choices *c)
{
    static const uint32_t rates[] = {0, 200, 1500, 6000, 15000, 30000};
    static const uint32_t entries[] = {64, 2, 4, 16};
    dx_reactor_address any;
    w->l.desc.pending_max = dx_choose(c, 3) ? 0 : 6;
    w->l.desc.descriptors_max = dx_choose(c, 7) ? 16 : 4;
    w->l.desc.queue_entries = entries[dx_choose(c, 3)];
    w->l.desc.completion_entries = dx_choose(c, 1) ? 0 : 4;
    w->l.desc.posts_max = 4;
    w->l.desc.buffer_count = 8;
    w->l.desc.buffer_size = 32;
    faults_begin(1 + dx_choose(c, UINT32_MAX), 0);
    loop_open(&w->l, DX_REACTOR_BACKEND_IO_URING);
    faults.rate = rates[dx_choose(c, 5)];
    faults.never = dx_choose(c, 1) != 0;
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&w->l.r, &any, 0, 0, &w->listener, NULL), 0);
    keep(w->listener);
    connect_tcp(w, w->fds[0]);
    for (int i = 1; i < PAIRS; i++) pair(w->fds[i]);
    w->file = keep((int)(syscall)(SYS_memfd_create, "dx", 1L, 0L, 0L, 0L, 0L));
    DX_CHECK_EQ(ftruncate(w->file, OPS * SLOT), 0);
    for (int i = 0; i < OPS; i++) dx_reactor_op_init(&w->ops[i].op, took, &w->ops[i]);
}

/* Ask every operation to end, one by one or by closing the reactor. */
static void finish(world *w, dx_choices *c)
{
    const bool cancels = dx_choose(c, 1) != 0;
    ask_all(w, -1, 0);
    for (int i = 0; i < OPS && cancels; i++) dx_reactor_cancel(&w->l.r, &w->ops[i].op);
    for (int turns = 0; cancels && dx_reactor_pending(&w->l.r); turns++) {
        DX_CHECK(turns < 400);
        DX_CHECK(dx_reactor_run_once(&w->l.r, MS) >= 0);
    }
    loop_close(&w->l);
    for (int i = 0; i < OPS; i++) DX_CHECK(!w->ops[i].pending);
    DX_CHECK_EQ(w->started, w->ended);
}

DX_PROPERTY(everything_ends_once_whatever_the_kernel_answers, 1500)
{
    static world worlds;
    clean();
    if (!block) block = calloc(1, BLOCK);
    the_world = &worlds;
    memset(the_world, 0, sizeof *the_world);
    begin(the_world, c);
    for (uint64_t steps = dx_choose(c, STEPS_MAX); steps; steps--) step(the_world, c);
    finish(the_world, c);
    faults_end();
    clean();
}

DX_TEST(faults_that_were_injected)
{
    for (int i = 0; i < FAULT_KINDS; i++) {
        printf("     %-28s %llu\n", faults_names[i], (unsigned long long)faults.injected[i]);
        if (faults_count()) DX_CHECK(faults.injected[i] > 0);
    }
    printf("     %-28s %llu\n", "in all", (unsigned long long)faults_count());
}
