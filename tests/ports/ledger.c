/* Random operations on the simulated backend, with every fault it can inject, and a ledger: each
   started
   operation ends exactly once, nothing else ends, and every byte that arrives was sent, in order.
   usage: ledger [OPERATIONS [SEED]]       prints the seed; the same seed repeats the run */
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../dx_reactor_sim.h"
#include "../dx_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OPS = 48, PAIRS = 6, CHECKED = 3, BUFFER = 512, EPOCH = 20000, FDS = 64 };

typedef struct end {
    int      fd;
    uint64_t sent, received; /* of a checked pair: bytes sent, bytes received */
    bool     sending, lost;  /* lost: reset or cancelled in a way that ends the checks */
} end;

typedef struct slot { /* an operation and its ledger entry */
    dx_op    op;
    uint64_t started, ended;
    bool     pending, many;
    int      kind, pair, side;
    uint8_t  buffer[BUFFER];
    dx_reactor_message messages[4];
    dx_reactor_address address;
} slot;

static struct {
    dx_reactor r; /* first: callbacks cast it back */
    slot     slots[OPS];
    end      ends[PAIRS][2];
    int      spare[FDS], spare_count, listener;
    dx_reactor_address at;
    uint64_t random, operations, completions, events, resets, posted, got;
    uint8_t *memory;
    size_t   memory_size;
    dx_reactor_sim sim;
} w;

enum { RECV, SEND, POLL, TIMER, DEADLINE, ACCEPT, ACCEPTS, CONNECT, SHUTDOWN, CLOSE, READ, WRITE,
       FSYNC, RECEIVE, KINDS };

static void fail(const char *what)
{
    printf("FAIL ledger: %s (after %llu operations)\n", what, (unsigned long long)w.operations);
    printf("ledger: 0 passed, 1 failed, 0 skipped\n");
    exit(1);
}
#define CHECK(condition) ((condition) ? (void)0 : fail(#condition))

static uint32_t choose(uint32_t below)
{
    return dx_test_below(&w.random, below);
}

static uint8_t byte_at(int pair, int side, uint64_t position)
{
    uint64_t x = position * 0x9e3779b97f4a7c15u + (uint64_t)(pair * 2 + side);
    return (uint8_t)(x >> 56);
}

/* >>results ------------------------------------------------------------ */
/* Does the contract allow this result for this kind? */
static bool allowed(int kind, int32_t result)
{
    switch (result) {
    case -ECANCELED: return kind != CLOSE && kind != SHUTDOWN ? true : kind == SHUTDOWN;
    case -ETIMEDOUT: return kind <= POLL || kind == ACCEPT || kind == CONNECT || kind == RECEIVE;
    case -EBADF: return kind != TIMER && kind != DEADLINE && kind != RECEIVE;
    case -ENOBUFS: return kind != TIMER && kind != DEADLINE && kind != RECEIVE;
    case -ECONNRESET: return kind == RECV || kind == SEND;
    case -EPIPE: return kind == SEND;
    case -ENOTCONN: return kind == RECV || kind == SEND || kind == SHUTDOWN;
    case -EMFILE: return kind == ACCEPT || kind == ACCEPTS;
    case -ECONNREFUSED:
    case -EISCONN: return kind == CONNECT;
    case -ESPIPE: return kind == READ || kind == WRITE;
    case -EINVAL: return kind == FSYNC;
    default: return result >= 0;
    }
}

static void received(slot *s, int32_t result)
{
    end *from = &w.ends[s->pair][!s->side], *to = &w.ends[s->pair][s->side];
    if (s->pair >= CHECKED || result <= 0 || to->lost || from->lost) return;
    for (int32_t i = 0; i < result; i++)
        CHECK(s->buffer[i] == byte_at(s->pair, !s->side, to->received + (uint32_t)i));
    to->received += (uint32_t)result;
}

static void sent(slot *s, int32_t result)
{
    end *from = &w.ends[s->pair][s->side];
    uint32_t n = dx_reactor_op_transferred(&s->op);
    CHECK(result < 0 || (uint32_t)result == n);
    if (s->pair >= CHECKED) return;
    from->sending = false;
    from->sent += n;
}

static void took(slot *s, int32_t result, uint32_t flags)
{
    CHECK(s->pending);
    w.events = (w.events ^ ((uint64_t)(s - w.slots) << 33 ^ (uint64_t)(uint32_t)result << 1 ^ flags)) *
               0x100000001b3u;
    if (result >= 0 && (s->kind == ACCEPT || s->kind == ACCEPTS)) {
        CHECK(w.spare_count < FDS);
        w.spare[w.spare_count++] = result;
    }
    if (flags & DX_REACTOR_F_MORE) {
        CHECK(s->many && result >= 0);
        return;
    }
    if (!allowed(s->kind, result)) {
        printf("kind %d ended with %d\n", s->kind, (int)result);
        fail("a result that the contract does not know");
    }
    if (result == -ECONNRESET) w.resets++;
    s->pending = false;
    s->ended++;
    w.completions++;
    CHECK(s->ended == s->started);
    if (s->kind == RECV) received(s, result);
    if (s->kind == SEND) sent(s, result);
    if (s->kind == RECEIVE && result > 0) w.got += (uint32_t)result;
    if ((s->kind == RECV || s->kind == SEND) && result < 0 && result != -ECANCELED &&
        result != -ETIMEDOUT && result != -ENOBUFS)
        w.ends[s->pair][0].lost = w.ends[s->pair][1].lost = true;
}

static void took_fn(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r;
    took((slot *)(void *)op, result, flags);
}

static void deliver(void)
{
    dx_completion out[16];
    int64_t timeout = choose(3) ? 0 : (int64_t)choose(2000000);
    int n;
    if (choose(2)) {
        n = dx_reactor_run_once(&w.r, timeout);
        CHECK(n >= 0);
        return;
    }
    n = dx_reactor_wait(&w.r, out, 1 + choose(16), timeout);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++)
        took((slot *)(uintptr_t)out[i].user_data, out[i].result, out[i].flags);
}

/* >>starts ------------------------------------------------------------- */
static slot *idle_slot(void)
{
    uint32_t at = choose(OPS);
    for (int i = 0; i < OPS; i++, at = (at + 1) % OPS)
        if (!w.slots[at].pending) return &w.slots[at];
    return NULL;
}

static void note_start(slot *s, int kind, int error)
{
    if (error == DX_REACTOR_EAGAIN) return;
    CHECK(error == DX_REACTOR_OK);
    s->kind = kind;
    s->many = kind == ACCEPTS;
    s->pending = true;
    s->started++;
    w.operations++;
}

static bool start_send(slot *s, end *e, uint32_t size)
{
    bool checked = s->pair < CHECKED;
    if (checked && e->sending) return false;
    if (checked)
        for (uint32_t i = 0; i < size; i++) s->buffer[i] = byte_at(s->pair, s->side, e->sent + i);
    e->sending = checked;
    return true;
}

/* Reconnect a pair after one end was closed. */
static void reopen(int pair)
{
    slot *s;
    for (int side = 0; side < 2; side++) {
        int fd = w.ends[pair][side].fd;
        if (fd >= 0 && (s = idle_slot()) != NULL) {
            int error = dx_reactor_close_fd(&w.r, &s->op, fd);
            s->pair = pair;
            note_start(s, CLOSE, error);
            if (error) return;
            w.ends[pair][side].fd = -1;
        }
        if (w.ends[pair][side].sending || w.ends[pair][side].fd >= 0) return;
    }
    for (int i = 0; i < OPS; i++) /* further completions belong to the old connection */
        if (w.slots[i].pending && w.slots[i].pair == pair &&
            (w.slots[i].kind == RECV || w.slots[i].kind == SEND))
            return;
    if (w.spare_count < 1 || dx_reactor_socket(&w.r, &w.at, 0, &w.ends[pair][0].fd) != 0) return;
    if ((s = idle_slot()) == NULL) return;
    s->pair = pair;
    s->address = w.at;
    note_start(s, CONNECT, dx_reactor_connect(&w.r, &s->op, w.ends[pair][0].fd, &s->address));
    w.ends[pair][0].lost = w.ends[pair][1].lost = true; /* the other end is a spare one */
    w.ends[pair][1].fd = w.spare[--w.spare_count];
}

static void close_spare(void)
{
    slot *s = idle_slot();
    if (!s || !w.spare_count) return;
    note_start(s, CLOSE, dx_reactor_close_fd(&w.r, &s->op, w.spare[w.spare_count - 1]));
    if (s->pending) w.spare_count--;
}

static void start(slot *s, int kind)
{
    end *e;
    uint32_t size = 1 + choose(BUFFER - 1);
    s->pair = (int)choose(PAIRS);
    s->side = (int)choose(2);
    e = &w.ends[s->pair][s->side];
    if (kind <= POLL && e->fd < 0) return;
    switch (kind) {
    case RECV:
        note_start(s, kind, dx_reactor_recv(&w.r, &s->op, e->fd, s->buffer, size));
        break;
    case SEND:
        if (!start_send(s, e, size)) return;
        note_start(s, kind, dx_reactor_send(&w.r, &s->op, e->fd, s->buffer, size));
        if (!s->pending) e->sending = false;
        break;
    case POLL:
        note_start(s, kind, dx_reactor_poll(&w.r, &s->op, e->fd, 1 + choose(3)));
        break;
    case TIMER:
        note_start(s, kind, dx_reactor_timer(&w.r, &s->op, choose(1000000)));
        break;
    case ACCEPT:
        note_start(s, kind, dx_reactor_accept(&w.r, &s->op, w.listener));
        break;
    case ACCEPTS:
        note_start(s, kind, dx_reactor_accept_multishot(&w.r, &s->op, w.listener));
        break;
    case READ: /* a socket has no offsets */
        note_start(s, kind, dx_reactor_read(&w.r, &s->op, w.listener, s->buffer, size, 9));
        break;
    case WRITE:
        note_start(s, kind, dx_reactor_write(&w.r, &s->op, w.listener, s->buffer, size, 9));
        break;
    case FSYNC:
        note_start(s, kind, dx_reactor_fsync(&w.r, &s->op, w.listener, choose(2) != 0));
        break;
    case RECEIVE:
        note_start(s, kind, dx_reactor_receive(&w.r, &s->op, s->messages, 1 + choose(4)));
        break;
    default:
        break;
    }
}

static void limit(slot *s)
{
    slot *target = &w.slots[choose(OPS)];
    int error = dx_reactor_deadline(&w.r, &s->op, &target->op, choose(1000000));
    if (error == DX_REACTOR_EINVAL || error == DX_REACTOR_ENOTFOUND) return;
    note_start(s, DEADLINE, error);
}

static void cancel(void)
{
    slot *s = &w.slots[choose(OPS)];
    int error = dx_reactor_cancel(&w.r, &s->op);
    CHECK(error == DX_REACTOR_OK || error == DX_REACTOR_EALREADY || error == DX_REACTOR_ENOTFOUND);
    CHECK((error == DX_REACTOR_ENOTFOUND) == !s->pending);
    if (choose(4) == 0 && s->pending) dx_reactor_cancel(&w.r, &s->op); /* twice */
}

static void extra(uint32_t what)
{
    dx_reactor_message m = {{1, 2, 3}};
    slot *s;
    switch (what) {
    case 0:
        if (dx_reactor_post(&w.r, &m) == DX_REACTOR_OK) w.posted++;
        break;
    case 1:
        dx_reactor_wake(&w.r);
        break;
    case 2:
        close_spare();
        break;
    case 3:
        if (choose(40) == 0) reopen((int)choose(PAIRS));
        break;
    case 4:
        s = idle_slot();
        if (w.spare_count > FDS / 2) return;
        if (s && choose(30) == 0) {
            int fd;
            if (dx_reactor_socket(&w.r, &w.at, 0, &fd) != 0) return;
            s->address = w.at;
            note_start(s, CONNECT, dx_reactor_connect(&w.r, &s->op, fd, &s->address));
            if (w.spare_count < FDS) w.spare[w.spare_count++] = fd;
        }
        break;
    default:
        if (w.ends[CHECKED][0].fd >= 0 && choose(200) == 0) {
            s = idle_slot();
            if (!s) return;
            s->pair = PAIRS - 1;
            if (w.ends[PAIRS - 1][0].fd >= 0)
                note_start(s, SHUTDOWN, dx_reactor_shutdown(&w.r, &s->op, w.ends[PAIRS - 1][0].fd));
        }
        break;
    }
}

static void step(void)
{
    uint32_t what = choose(32);
    slot *s = idle_slot();
    if (what < 20 && s) start(s, (int)(choose(10) < 6 ? choose(2) : choose(KINDS)));
    else if (what < 22 && s) limit(s);
    else if (what < 25) cancel();
    else if (what < 28) extra(choose(6));
    else deliver();
}

/* >>epochs ------------------------------------------------------------- */
static uint16_t rate(void)
{
    static const uint16_t rates[] = {0, 0, 20, 600, 6000, 20000};
    return rates[choose(6)];
}

static void wait_for(slot *s)
{
    dx_completion out;
    while (s->pending)
        if (dx_reactor_wait(&w.r, &out, 1, 1000000) == 1)
            took((slot *)(uintptr_t)out.user_data, out.result, out.flags);
}

static void connect_pair(int pair)
{
    end *e = w.ends[pair];
    slot *a = &w.slots[0], *c = &w.slots[1];
    memset(e, 0, 2 * sizeof *e);
    CHECK(dx_reactor_socket(&w.r, &w.at, 0, &e[0].fd) == 0);
    c->address = w.at;
    note_start(c, CONNECT, dx_reactor_connect(&w.r, &c->op, e[0].fd, &c->address));
    wait_for(c);
    e[1].fd = -1;
    while (e[1].fd < 0) { /* EMFILE and ENOBUFS are among the faults */
        note_start(a, ACCEPT, dx_reactor_accept(&w.r, &a->op, w.listener));
        wait_for(a);
        if (w.spare_count) e[1].fd = w.spare[--w.spare_count];
    }
}

static void open_epoch(uint64_t seed)
{
    dx_reactor_desc desc;
    dx_reactor_sim_desc sim;
    dx_reactor_address any;
    memset(&desc, 0, sizeof desc);
    memset(&sim, 0, sizeof sim);
    memset(w.slots, 0, sizeof w.slots);
    for (int i = 0; i < OPS; i++) dx_reactor_op_init(&w.slots[i].op, took_fn, &w.slots[i]);
    w.random = seed;
    w.spare_count = 0;
    desc.backend = DX_REACTOR_BACKEND_SIMULATED;
    desc.descriptors_max = 20 + choose(20);
    desc.pending_max = 8 + choose(100);
    desc.posts_max = 4;
    desc.budget = 1 + choose(64);
    sim.seed = seed;
    sim.sockets = 2 * desc.descriptors_max;
    sim.buffer = 1100 - choose(900);
    sim.short_transfers = rate();
    sim.interrupts = rate();
    sim.delays = rate();
    sim.resets = rate() / 60;
    sim.no_buffers = rate() / 8;
    sim.full_queues = rate();
    sim.clock_jumps = rate() / 20;
    desc.memory_size = dx_reactor_memory_size(&desc);
    sim.memory_size = dx_reactor_sim_memory_size(&sim);
    if (sim.memory_size + desc.memory_size > w.memory_size) {
        w.memory_size = sim.memory_size + desc.memory_size;
        w.memory = realloc(w.memory, w.memory_size);
    }
    sim.memory = w.memory;
    desc.memory = w.memory + sim.memory_size;
    CHECK(dx_reactor_sim_init(&w.sim, &sim) == DX_REACTOR_OK);
    desc.simulator = &w.sim.base;
    CHECK(dx_reactor_open(&w.r, &desc) == DX_REACTOR_OK);
    CHECK(dx_reactor_address_parse(&any, "127.0.0.1:0") == 0);
    CHECK(dx_reactor_listen(&w.r, &any, 0, 4, &w.listener, &w.at) == 0);
    for (int i = 0; i < PAIRS; i++) connect_pair(i);
}

/* Some operations, then a close in the middle of them. Returns a digest of all events. */
static uint64_t epoch(uint64_t seed, uint64_t operations)
{
    uint64_t target = w.operations + operations;
    w.events = 0xcbf29ce484222325u;
    w.posted = w.got = 0;
    open_epoch(seed);
    while (w.operations < target) step();
    for (int i = 0; i < OPS; i++)
        CHECK(w.slots[i].pending == dx_reactor_op_pending(&w.slots[i].op));
    CHECK(dx_reactor_close(&w.r) == DX_REACTOR_OK);
    CHECK(dx_reactor_pending(&w.r) == 0);
    for (int i = 0; i < OPS; i++)
        CHECK(!w.slots[i].pending && w.slots[i].started == w.slots[i].ended);
    CHECK(w.got <= w.posted);
    return w.events;
}

int main(int count, char **arguments)
{
    uint64_t operations = count > 1 ? strtoull(arguments[1], NULL, 0) : 10000000;
    uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 0) : (uint64_t)time(NULL), first;
    clock_t began = clock();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    first = epoch(seed, EPOCH);
    CHECK(epoch(seed, EPOCH) == first); /* the same seed, the same events */
    for (uint64_t i = 1; w.operations < operations; i++) epoch(seed + i, EPOCH);
    printf("%llu operations, each ended exactly once; %llu resets; %.1f s\n",
           (unsigned long long)w.operations, (unsigned long long)w.resets,
           (double)(clock() - began) / CLOCKS_PER_SEC);
    CHECK(w.completions == w.operations);
    printf("ledger: 1 passed, 0 failed, 0 skipped\n");
    return 0;
}
