/* dx_ring.h: every interleaving of two small programs with every stale index that the memory model
   allows; two processes, either of which is killed at any moment. */
#define _GNU_SOURCE
#include <stdint.h>
static uint32_t watched_load(uint32_t *p);
static void watched_store(uint32_t *p, uint32_t value);
#define DX_RING_LOAD_ACQUIRE(p)     watched_load(p)
#define DX_RING_STORE_RELEASE(p, v) watched_store((p), (v))
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"
#include "../../layers/dx_ring.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* >>explorer: two coroutines, a choice at every step ---------------------

   A step ends before every load and store of an index, and wherever the programs call step(). The
   stores themselves are real, so a load would always see the newest value. The model therefore
   keeps the history of an index and lets the other side see any value not older than the last one
   it saw, as acquire and release allow. The records that such a load implies are already there, as
   each side writes them before its index. */
enum { SIDES = 2, HISTORY = 16, STACK = 256 * 1024 };

typedef struct history {
    uint32_t *place;
    uint32_t  values[HISTORY];
    uint64_t  count, seen;
} history;

typedef struct model {
    bool        on;
    dx_choices *choices;
    ucontext_t  scheduler, side[SIDES];
    void      (*program[SIDES])(void);
    int         running;
    bool        done[SIDES];
    history     index[SIDES]; /* 0: the write index, stored by side 0; 1: the read index */
    const char *wrong;
} model;

static model world;

static void step(void)
{
    swapcontext(&world.side[world.running], &world.scheduler);
}

static uint32_t watched_load(uint32_t *p)
{
    history *h = &world.index[1 - world.running];
    if (!world.on || p != h->place) return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    step();
    h->seen = h->count - 1 - dx_choose(world.choices, h->count - 1 - h->seen);
    return h->values[h->seen];
}

static void watched_store(uint32_t *p, uint32_t value)
{
    history *h = &world.index[world.running];
    if (world.on) {
        step();
        if (p != h->place || h->count == HISTORY) world.wrong = "a store that is not its own";
        else h->values[h->count++] = value;
    }
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static void enter(void)
{
    world.program[world.running]();
    world.done[world.running] = true;
    step();
}

static void prepare(int side, uint8_t *index, void (*program)(void))
{
    static char stacks[SIDES][STACK];
    ucontext_t *u = &world.side[side];
    history *h = &world.index[side];
    world.program[side] = program;
    h->place = (uint32_t *)(void *)index;
    h->values[0] = *h->place;
    h->count = 1;
    getcontext(u);
    u->uc_stack.ss_sp = stacks[side];
    u->uc_stack.ss_size = STACK;
    makecontext(u, enter, 0);
}

static void explore(dx_choices *c, uint8_t *ring, void (*producer)(void), void (*consumer)(void))
{
    memset(&world, 0, sizeof world);
    world.choices = c;
    prepare(0, ring + 128, producer);
    prepare(1, ring + 256, consumer);
    world.on = true;
    while (!world.done[0] || !world.done[1]) {
        world.running = world.done[0] ? 1 : world.done[1] ? 0 : (int)dx_choose(c, 1);
        swapcontext(&world.scheduler, &world.side[world.running]);
    }
    world.on = false;
}

/* >>the two programs ----------------------------------------------------- */
typedef struct job {
    _Alignas(64) uint8_t memory[384 + 64];
    dx_ring_producer p;
    dx_ring_consumer c;
    uint32_t             pushes, pops; /* attempts of each side */
    uint32_t             sent, got;
    bool                 variable;
} job;

static job it;

static size_t record_size(uint32_t i)
{
    return it.variable ? 1 + i * 5 % 11 : 8;
}

static void produce(void)
{
    for (uint32_t n = 0; n < it.pushes; n++) {
        const size_t size = record_size(it.sent);
        void *where;
        const int error = dx_ring_claim(&it.p, size, &where);
        if (error == DX_RING_EAGAIN) continue;
        if (error) world.wrong = "the claim";
        if (error) return;
        memset(where, (int)it.sent + 1, size / 2);
        step();
        memset((uint8_t *)where + size / 2, (int)it.sent + 1, size - size / 2);
        dx_ring_commit(&it.p);
        it.sent++;
    }
}

static bool is_record(const uint8_t *p, size_t size, uint32_t i)
{
    if (size != record_size(i)) return false;
    for (size_t k = 0; k < size; k++)
        if (p[k] != i + 1) return false;
    return true;
}

static void consume(void)
{
    for (uint32_t n = 0; n < it.pops; n++) {
        const void *where;
        size_t size;
        const int error = dx_ring_peek(&it.c, &where, &size);
        if (error == DX_RING_EAGAIN) continue;
        if (error) world.wrong = "the peek";
        else if (!is_record(where, size, it.got)) world.wrong = "lost, seen twice or out of order";
        if (world.wrong) return;
        step();
        if (!is_record(where, size, it.got)) world.wrong = "overwritten while it was read";
        it.got++;
        dx_ring_release(&it.c);
    }
}

/* Start with `first` records already passed, so that places and indices wrap within the run. */
static void run_all(dx_choices *c, uint32_t size, uint32_t capacity, uint32_t first)
{
    const dx_ring_desc desc = {size, capacity};
    memset(&it, 0, sizeof it);
    it.variable = size == 0;
    DX_CHECK_EQ(dx_ring_init(it.memory, sizeof it.memory, &desc), 0);
    memcpy(it.memory + 128, &first, 4);
    memcpy(it.memory + 256, &first, 4);
    DX_CHECK_EQ(dx_ring_attach_producer(&it.p, it.memory, sizeof it.memory), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&it.c, it.memory, sizeof it.memory), 0);
    it.pushes = 3;
    it.pops = 3;
    explore(c, it.memory, produce, consume);
    DX_CHECK(!world.wrong || (printf("%s\n", world.wrong), false));
    it.pops = it.sent - it.got + 1; /* the rest, without the model or the other side */
    DX_CHECK(it.sent >= it.got && it.sent > 0);
    for (; it.got < it.sent; it.got++) {
        uint8_t out[16];
        size_t n = 0;
        DX_CHECK_EQ(dx_ring_pop(&it.c, out, sizeof out, &n), 0);
        DX_CHECK(is_record(out, n, it.got));
    }
    DX_CHECK_EQ(dx_ring_pop(&it.c, NULL, 0, NULL), DX_RING_EAGAIN);
}

enum { MOST = 4000000 };
DX_EXHAUSTIVE(rb_4_every_interleaving_of_a_ring_of_one, MOST)
{
    run_all(c, 8, 1, UINT32_MAX);
}

DX_EXHAUSTIVE(rb_4_every_interleaving_of_a_ring_of_two, MOST)
{
    run_all(c, 8, 2, UINT32_MAX - 1);
}

/* 64 bytes from place 40: the second record leaves a skip. */
DX_EXHAUSTIVE(rb_4_every_interleaving_of_a_variable_ring, MOST)
{
    run_all(c, 0, 64, UINT32_MAX - 23);
}

/* >>two processes, one of them killed ------------------------------------ */
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
enum { KILLS = 250 };
#else
enum { KILLS = 1000 };
#endif
enum { RECORD = 24, AREA = 1 << 14 };

/* Shared by both processes and the one that kills them. The consumer's result is `sum`, the sum
   over records 0 .. taken - 1; it is stored in two alternating slots, so that a kill between two
   stores leaves the other one intact. */
typedef struct result {
    uint64_t taken, sum;
} result;

typedef struct shared {
    result            results[2];
    volatile uint32_t which; /* the valid one */
    volatile uint32_t wrong; /* line of the first failure */
    volatile uint64_t sent;  /* records committed, or one less */
    volatile uint64_t starts[SIDES], again; /* how often a record was seen a second time */
} shared;

typedef struct pair {
    shared  *s;
    uint8_t *ring;
    size_t   size;
    bool     fixed;
    pid_t    pid[SIDES];
} pair;

static uint64_t word_of(uint64_t i, uint64_t k)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ k;
}

static size_t words_of(const pair *x, uint64_t i)
{
    return x->fixed ? RECORD / 8 : 1 + (size_t)(i * 7 % 13);
}

#define COMPLAIN(x) ((x)->s->wrong || ((x)->s->wrong = __LINE__, 0))

static void send_forever(pair *x)
{
    dx_ring_producer p;
    uint64_t i = x->s->sent;
    if (dx_ring_attach_producer(&p, x->ring, x->size)) COMPLAIN(x);
    /* A record may be committed but not counted: a ring of fixed records counts itself; in a
       variable one, the second word of each record tells. */
    if (x->fixed && (uint32_t)i != p.write_) i++;
    if (x->fixed && (uint32_t)i != p.write_) COMPLAIN(x);
    if (x->fixed) x->s->sent = i; /* counted now: the next producer may be killed at the same place */
    for (; !x->s->wrong; i++) {
        void *where;
        int error;
        while ((error = dx_ring_claim(&p, 8 * words_of(x, i), &where)) ==
               DX_RING_EAGAIN)
            usleep(20);
        if (error) COMPLAIN(x);
        for (uint64_t k = 0; k < words_of(x, i); k++) {
            const uint64_t word = word_of(i, k);
            memcpy((uint8_t *)where + 8 * k, &word, 8);
        }
        if (i % 64 == 5) usleep(200); /* make kills between claim and commit frequent */
        if (!x->fixed) x->s->sent = i + 1; /* counted before: at most one that never came */
        dx_ring_commit(&p);
        if (x->fixed) x->s->sent = i + 1;
    }
}

/* Number of the record in these bytes; reports one that is torn. */
static uint64_t number_in(pair *x, const void *where, size_t size)
{
    uint64_t word, i;
    memcpy(&word, where, 8);
    i = word * UINT64_C(0xf1de83e19937733d) - 1; /* the inverse of the factor */
    if (size != 8 * words_of(x, i)) COMPLAIN(x);
    for (size_t k = 0; k < size / 8; k++) {
        memcpy(&word, (const uint8_t *)where + 8 * k, 8);
        if (word != word_of(i, k)) COMPLAIN(x);
    }
    return i;
}

static void take(pair *x, uint64_t i)
{
    const result *now = &x->s->results[x->s->which];
    result *next = &x->s->results[1 - x->s->which];
    next->taken = i + 1;
    next->sum = now->sum + word_of(i, 5);
    __atomic_store_n(&x->s->which, 1 - x->s->which, __ATOMIC_RELEASE);
}

static void receive_forever(pair *x, uint64_t until)
{
    dx_ring_consumer reader;
    bool first = true; /* the record being processed when the last consumer died is repeated, and no other */
    if (dx_ring_attach_consumer(&reader, x->ring, x->size)) COMPLAIN(x);
    while (!x->s->wrong && x->s->results[x->s->which].taken < until) {
        const uint64_t taken = x->s->results[x->s->which].taken;
        const void *where;
        size_t size;
        const int error = dx_ring_peek(&reader, &where, &size);
        if (error == DX_RING_EAGAIN) {
            usleep(20);
            continue;
        }
        if (error) COMPLAIN(x);
        if (error) return;
        const uint64_t i = number_in(x, where, size);
        if (i == taken) take(x, i);
        else if (first && i + 1 == taken) x->s->again++;
        else COMPLAIN(x);
        first = false;
        if (i % 64 == 9) usleep(200); /* nor kills between the result and the release */
        dx_ring_release(&reader);
    }
}

static void start(pair *x, int side)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();
    x->pid[side] = pid;
    if (pid) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    x->s->starts[side]++;
    if (side == 0) send_forever(x);
    else receive_forever(x, UINT64_MAX);
    _exit(0);
}

/* Killed by SIGKILL, unless it ended by itself. */
static bool kill_side(pair *x, int side)
{
    int status = 0;
    kill(x->pid[side], SIGKILL);
    return waitpid(x->pid[side], &status, 0) == x->pid[side] && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGKILL;
}

/* The successor of a killed producer of a variable ring learns from the ring what was committed. */
static void settle(pair *x)
{
    dx_ring_consumer reader;
    const void *where;
    size_t size;
    uint64_t next = x->s->results[x->s->which].taken;
    if (x->fixed || dx_ring_attach_consumer(&reader, x->ring, x->size)) return;
    while (dx_ring_peek(&reader, &where, &size) == 0) {
        next = number_in(x, where, size) + 1;
        reader.read_ += reader.peeked_; /* peek on without a release: the ring must not notice */
    }
    if (x->s->sent != next && x->s->sent != next + 1) COMPLAIN(x);
    x->s->sent = next;
}

static void nap(uint64_t microseconds)
{
    const struct timespec t = {0, (long)microseconds * 1000};
    nanosleep(&t, NULL);
}

static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    DX_CHECK(p != MAP_FAILED);
    return p;
}

static void kill_often(uint32_t record, uint32_t capacity)
{
    const dx_ring_desc desc = {record, capacity};
    uint64_t random = 1, sum = 0, kills[SIDES] = {0}, more = 0;
    pair x;
    memset(&x, 0, sizeof x);
    x.size = dx_ring_memory_size(&desc);
    x.fixed = record != 0;
    x.ring = map(AREA);
    x.s = map(sizeof(shared));
    DX_CHECK(x.size <= AREA);
    DX_CHECK_EQ(dx_ring_init(x.ring, x.size, &desc), 0);
    start(&x, 0);
    start(&x, 1);
    while (kills[0] < KILLS || kills[1] < KILLS || (x.s->sent <= KILLS && more < 2000)) {
        if (x.s->wrong) break;
        const uint64_t draw = dx_test_random(&random);
        const bool enough = kills[0] >= KILLS && kills[1] >= KILLS; /* not on a machine on which they hardly run */
        const int side = enough || (kills[0] < KILLS && kills[1] < KILLS) ? (int)(draw >> 63) : kills[0] >= KILLS;
        more += enough;
        nap((draw >> 40) % (enough ? 20000 : 700));
        DX_CHECK(kill_side(&x, side) || x.s->wrong);
        kills[side]++;
        if (side == 0 && !x.fixed) { /* no other reader while the ring is read */
            DX_CHECK(kill_side(&x, 1) || x.s->wrong);
            settle(&x);
            start(&x, 1);
        }
        start(&x, side);
    }
    kill_side(&x, 0);
    kill_side(&x, 1);
    DX_CHECK_EQ(x.s->wrong, 0);
    settle(&x);
    if (x.fixed) { /* committed, and killed before it was counted */
        dx_ring_producer p;
        DX_CHECK_EQ(dx_ring_attach_producer(&p, x.ring, x.size), 0);
        if ((uint32_t)x.s->sent != p.write_) x.s->sent++;
        DX_CHECK_EQ((uint32_t)x.s->sent, p.write_);
    }
    receive_forever(&x, x.s->sent);
    DX_CHECK_EQ(x.s->wrong, 0);
    DX_CHECK_EQ(x.s->results[x.s->which].taken, x.s->sent);
    for (uint64_t i = 0; i < x.s->sent; i++) sum += word_of(i, 5);
    DX_CHECK_EQ(x.s->results[x.s->which].sum, sum);
    DX_CHECK(x.s->sent > KILLS);
    if (getenv("DX_TEST_SHOW"))
        printf("%llu records, %llu + %llu starts, %llu met again\n", (unsigned long long)x.s->sent,
               (unsigned long long)x.s->starts[0], (unsigned long long)x.s->starts[1],
               (unsigned long long)x.s->again);
    munmap(x.ring, AREA);
    munmap(x.s, sizeof(shared));
}

/* >>records in memory that two processes share ----------------------------- */
#define NOTE(F, S, A, L, ...) F(u64, number) F(u32, read) S(text) L(u32, squares)
DX_TELEPORT_DEFINE(note, NOTE)
enum { NOTES = 200, PLACE = 256 };

/* Writes notes into its area one after another and passes their offsets; after a kill, the next
   writer continues after the last note that was passed. */
static void write_notes(uint8_t *area, uint8_t *ring, size_t size)
{
    dx_ring_producer p;
    if (dx_ring_attach_producer(&p, ring, size)) _exit(1);
    for (uint32_t i = p.write_; i < NOTES; i++) {
        uint32_t squares[5], place = i * PLACE;
        char text[32];
        note_writer w;
        for (uint32_t k = 0; k < 5; k++) squares[k] = (i + k) * (i + k);
        snprintf(text, sizeof text, "note %u", (unsigned)i);
        note_begin(&w, area + place, PLACE, 0);
        note_set_number(&w, i);
        note_put_text(&w, text, strlen(text));
        if (i % 16 == 3) usleep(300); /* make torn notes in place frequent */
        note_put_squares(&w, squares, i % 5);
        if (note_finish(&w, NULL)) _exit(2);
        while (dx_ring_push(&p, &place, 4) == DX_RING_EAGAIN) usleep(20);
    }
    _exit(0);
}

static void read_note(uint8_t *bytes, uint32_t number)
{
    dx_teleport_info info;
    note_view v;
    note_writer w;
    char text[32];
    snprintf(text, sizeof text, "note %u", (unsigned)number);
    DX_CHECK_EQ(dx_teleport_peek(bytes, PLACE, &info), 0);
    DX_CHECK(info.size <= PLACE);
    DX_CHECK_EQ(note_open(&v, bytes, info.size), 0);
    DX_CHECK_EQ(note_get_number(&v), number);
    DX_CHECK_EQ(note_get_text(&v).size, strlen(text));
    DX_CHECK_MEM(note_get_text(&v).data, text, strlen(text));
    DX_CHECK_EQ(note_count_squares(&v), number % 5);
    for (uint32_t k = 0; k < number % 5; k++)
        DX_CHECK_EQ(note_at_squares(&v, k), (number + k) * (number + k));
    DX_CHECK_EQ(note_edit(&w, bytes, info.size), 0); /* an answer in place */
    DX_CHECK_EQ(note_set_read(&w, number + 1), 0);
    DX_CHECK_EQ(note_finish(&w, NULL), 0);
}

/* Anonymous memory, at another address in each process; the writer is killed now and then. */
DX_TEST(mm_9_st_1_records_in_shared_memory_survive_their_writer)
{
    const dx_ring_desc desc = {4, 16};
    const size_t size = dx_ring_memory_size(&desc);
    const int file = memfd_create("notes", 0);
    uint8_t *ring = map(AREA), *area;
    dx_ring_consumer reader;
    uint32_t next = 0, kills = 0;
    int status = 0;
    DX_CHECK(file >= 0);
    DX_CHECK_EQ(ftruncate(file, (off_t)NOTES * PLACE), 0);
    area = mmap(NULL, (size_t)NOTES * PLACE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    DX_CHECK(area != MAP_FAILED);
    DX_CHECK_EQ(dx_ring_init(ring, size, &desc), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&reader, ring, size), 0);
    while (next < NOTES) {
        const pid_t writer = fork();
        if (writer == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            write_notes(mmap(NULL, (size_t)NOTES * PLACE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
                        ring, size);
        }
        for (uint32_t stop = next + 20; next < stop && next < NOTES;) {
            uint32_t place;
            const int error = dx_ring_pop(&reader, &place, 4, NULL);
            if (error == DX_RING_EAGAIN) usleep(20);
            if (error == DX_RING_EAGAIN) continue;
            DX_CHECK_EQ(error, 0);
            DX_CHECK_EQ(place, next * PLACE);
            read_note(area + place, next++);
        }
        kill(writer, SIGKILL);
        kills += waitpid(writer, &status, 0) == writer && WIFSIGNALED(status);
    }
    DX_CHECK(kills > 3);
    for (uint32_t i = 0; i < NOTES; i++) {
        note_view v;
        dx_teleport_info info;
        DX_CHECK_EQ(dx_teleport_peek(area + i * PLACE, PLACE, &info), 0);
        DX_CHECK_EQ(note_open(&v, area + i * PLACE, info.size), 0);
        DX_CHECK_EQ(note_get_read(&v), i + 1);
    }
    munmap(area, (size_t)NOTES * PLACE);
    munmap(ring, AREA);
    close(file);
}

DX_TEST(rb_6_either_process_is_killed_fixed_records)
{
    kill_often(RECORD, 64);
}

DX_TEST(rb_6_either_process_is_killed_variable_records)
{
    kill_often(0, 1024);
}
