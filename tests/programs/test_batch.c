/* Tests of programs/versions/tree/batch.c, the ring shared by the threads of a publish, under every order in which
   threads can run. Mutexes and condition variables are modelled: one thread runs at a time, and at each of their
   calls the choices of the property select the next. So one seed is one schedule, and a schedule can be repeated.

   If no thread can continue, the ring has lost a wake-up. The model notes that, and then wakes all (as POSIX allows
   at any time), so that the run ends and its choices can be shrunk. */
#define _GNU_SOURCE
#include "../../programs/common/os_posix.c"
#include "../../programs/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>threads ------------------------------------------------------------ */
enum { THREADS_MAX = 5 };
typedef enum { NONE, READY, WANTS_LOCK, WAITS, JOINS, ENDED } thread_state;

static struct {
    dx_choices     *c;
    pthread_mutex_t baton;               /* real: its holder runs */
    pthread_cond_t  turn[THREADS_MAX];   /* real: thread i may continue */
    thread_state    state[THREADS_MAX];
    const void     *waits_for[THREADS_MAX];
    pthread_t       threads[THREADS_MAX];
    void         *(*run[THREADS_MAX])(void *);
    void           *user;
    unsigned        count, current;
    bool            locked, stuck;
    unsigned        refused_from;        /* pthread_create fails from this thread number on */
} m;

static bool can_run(unsigned i)
{
    switch (m.state[i]) {
    case READY: return true;
    case WANTS_LOCK: return !m.locked;
    case JOINS: return m.state[(uintptr_t)m.waits_for[i]] == ENDED;
    default: return false;
    }
}

/* All threads wait: wake all of them, which is allowed, and note that it was needed. */
static void wake_all(void)
{
    m.stuck = true;
    for (unsigned i = 0; i < m.count; i++)
        if (m.state[i] == WAITS) m.state[i] = WANTS_LOCK;
}

static unsigned choose_thread(void)
{
    unsigned able[THREADS_MAX], count = 0;
    for (int again = 0; again < 2 && !count; again++) {
        if (again) wake_all();
        for (unsigned i = 0; i < m.count; i++)
            if (can_run(i)) able[count++] = i;
    }
    if (!count) abort(); /* a fault of the model */
    return able[dx_choose(m.c, count - 1)];
}

/* Set the running thread's state; returns when it is selected again. */
static void pass_on(thread_state state)
{
    const unsigned me = m.current;
    m.state[me] = state;
    m.current = choose_thread();
    if (m.current != me) {
        pthread_cond_signal(&m.turn[m.current]);
        while (state != ENDED && m.current != me) pthread_cond_wait(&m.turn[me], &m.baton);
    }
    if (state != ENDED) m.state[me] = READY;
}

static int model_lock(pthread_mutex_t *lock)
{
    (void)lock;
    pass_on(WANTS_LOCK);
    m.locked = true;
    return 0;
}

static int model_unlock(pthread_mutex_t *lock)
{
    (void)lock;
    m.locked = false;
    pass_on(READY);
    return 0;
}

static int model_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
    (void)lock;
    m.waits_for[m.current] = cond;
    m.locked = false;
    pass_on(WAITS);
    m.locked = true;
    return 0;
}

static int model_signal(pthread_cond_t *cond)
{
    unsigned able[THREADS_MAX], count = 0;
    for (unsigned i = 0; i < m.count; i++)
        if (m.state[i] == WAITS && m.waits_for[i] == cond) able[count++] = i;
    if (count) m.state[able[dx_choose(m.c, count - 1)]] = WANTS_LOCK;
    return 0;
}

static int model_broadcast(pthread_cond_t *cond)
{
    for (unsigned i = 0; i < m.count; i++)
        if (m.state[i] == WAITS && m.waits_for[i] == cond) m.state[i] = WANTS_LOCK;
    return 0;
}

static void *begin(void *number)
{
    const unsigned me = (unsigned)(uintptr_t)number;
    pthread_mutex_lock(&m.baton);
    while (m.current != me) pthread_cond_wait(&m.turn[me], &m.baton);
    m.run[me](m.user);
    pass_on(ENDED);
    pthread_mutex_unlock(&m.baton);
    return NULL;
}

static int model_create(pthread_t *thread, const void *attributes, void *(*run)(void *), void *user)
{
    (void)attributes;
    const unsigned number = m.count;
    if (number >= m.refused_from) return EAGAIN;
    m.run[number] = run;
    m.user = user;
    m.state[number] = READY;
    m.count++;
    if (pthread_create(&m.threads[number], NULL, begin, (void *)(uintptr_t)number)) abort();
    *thread = m.threads[number];
    return 0;
}

static int model_join(pthread_t thread, void **value)
{
    (void)value;
    unsigned number = 1;
    while (!pthread_equal(m.threads[number], thread)) number++;
    m.waits_for[m.current] = (const void *)(uintptr_t)number;
    pass_on(JOINS);
    return 0;
}

#define pthread_mutex_lock     model_lock
#define pthread_mutex_unlock   model_unlock
#define pthread_cond_wait      model_wait
#define pthread_cond_signal    model_signal
#define pthread_cond_broadcast model_broadcast
#define pthread_create         model_create
#define pthread_join           model_join
#define dx_cas_hash_many       model_hash_many
#include "../../programs/versions/tree/batch.c"
#include "../../programs/versions/tree/prints.c"
#undef pthread_mutex_lock
#undef pthread_mutex_unlock
#undef pthread_cond_wait
#undef pthread_cond_signal
#undef pthread_cond_broadcast
#undef pthread_create
#undef pthread_join

/* >>what the ring calls ------------------------------------------------ */
void *prog_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p) abort();
    return p;
}

unsigned prog_thread_count(unsigned workers, unsigned max) { return workers < max ? workers : max; }
versions_packer *versions_packer_open(void) { return m.user; /* not NULL: there is a codec */ }
void versions_packer_close(versions_packer *p) { (void)p; }

size_t versions_pack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    DX_CHECK(p && capacity == size - 1 && !m.locked);
    memcpy(out, in, size / 2);
    return size / 2;
}

void model_hash_many(const void *const *data, const size_t *sizes, size_t n, dx_cas_id *ids)
{
    DX_CHECK(!m.locked);
    for (size_t i = 0; i < n; i++) {
        memset(ids[i].bytes, 0, sizeof ids[i].bytes);
        memcpy(ids[i].bytes, data[i], sizes[i]);
    }
}

/* >>the thread that reads ---------------------------------------------- */
typedef struct reader {
    unsigned submitted, retired;
    int      fail_at; /* the batch that fails to retire; -1: none */
} reader;

/* Every second chunk is known. Other threads run meanwhile, as during a query of a store. */
static void ask_store(void *user, versions_batch *b)
{
    (void)user;
    DX_CHECK(!m.locked);
    for (uint64_t i = dx_choose(m.c, 3); i > 0; i--) pass_on(READY);
    for (size_t i = 0; i < b->chunk_count; i++) {
        DX_CHECK_MEM(b->chunks[i].id, b->bytes + b->chunks[i].at, b->chunks[i].size);
        b->chunks[i].known = b->chunks[i].id[1] % 2;
    }
}

static int retire(void *user, versions_batch *b)
{
    reader *r = user;
    DX_CHECK(!m.locked);
    DX_CHECK_EQ(b->size, 4 * b->chunk_count + 1);
    DX_CHECK_EQ(b->bytes[b->size - 1], r->retired);
    for (size_t i = 0; i < b->chunk_count; i++) {
        const versions_chunk *chunk = &b->chunks[i];
        const bool packed = !chunk->known && m.count > 1;
        DX_CHECK_EQ(chunk->known, b->bytes[chunk->at + 1] % 2);
        DX_CHECK_EQ(chunk->packed_size, packed ? 2 : 0);
        if (packed) DX_CHECK_MEM(b->packed + chunk->packed_at, b->bytes + chunk->at, 2);
    }
    return (int)r->retired++ == r->fail_at ? -1 : PROG_OK;
}

static void fill(versions_batch *b, unsigned number)
{
    DX_CHECK(b->size == 0 && b->chunk_count == 0);
    for (uint64_t n = dx_choose(m.c, 3); n > 0; n--) {
        versions_chunk *chunk = &b->chunks[b->chunk_count++];
        memset(chunk, 0, sizeof *chunk);
        chunk->at = (uint32_t)b->size;
        chunk->size = 4;
        b->bytes[b->size] = (uint8_t)number;
        b->bytes[b->size + 1] = (uint8_t)dx_choose(m.c, 255);
        b->bytes[b->size + 2] = b->bytes[b->size + 3] = 0x55;
        b->size += 4;
    }
    b->bytes[b->size++] = (uint8_t)number;
}

/* >>tests -------------------------------------------------------------- */
/* Any number of threads and batches, some of them empty, drained now and then, with a failure somewhere: everything
   is retired, complete and in order, and no thread waits forever. */
DX_PROPERTY(no_wake_up_is_lost, 4000)
{
    static versions_ring ring;
    reader r = {0, 0, -1};
    memset(&ring, 0, sizeof ring);
    memset(&m, 0, sizeof m);
    m.c = c;
    m.state[0] = READY;
    m.count = 1;
    m.refused_from = (unsigned)dx_choose_range(c, 1, THREADS_MAX);
    pthread_mutex_init(&m.baton, NULL);
    for (int i = 0; i < THREADS_MAX; i++) pthread_cond_init(&m.turn[i], NULL);
    pthread_mutex_lock(&m.baton);

    ring.look_up = ask_store;
    ring.retire = retire;
    ring.user = &r;
    versions_ring_open(&ring, THREADS_MAX - 1, 0);
    if (!dx_choose(c, 3)) r.fail_at = (int)dx_choose(c, 15);
    int status = PROG_OK;
    for (uint64_t n = dx_choose(c, 20); n > 0 && !status; n--) {
        fill(versions_ring_fill(&ring), r.submitted++);
        status = versions_ring_submit(&ring);
        if (!status && !dx_choose(c, 5)) {
            status = versions_ring_drain(&ring);
            if (!status) DX_CHECK_EQ(r.retired, r.submitted);
        }
    }
    if (!status) status = versions_ring_drain(&ring);
    DX_CHECK_EQ(status, r.fail_at >= 0 && r.fail_at < (int)r.submitted ? -1 : PROG_OK);
    DX_CHECK_EQ(r.retired, status ? (unsigned)r.fail_at + 1 : r.submitted);
    versions_ring_close(&ring);

    pthread_mutex_unlock(&m.baton);
    for (unsigned i = 1; i < m.count; i++) pthread_join(m.threads[i], NULL);
    for (int i = 0; i < THREADS_MAX; i++) pthread_cond_destroy(&m.turn[i]);
    pthread_mutex_destroy(&m.baton);
    DX_CHECK(!m.stuck);
}
