#include "tree.h"

#ifndef DXUP_NO_SNAPSHOTS
#include "batch.h"

#include "../store/codec.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FREE, TO_HASH, HASHED, TO_PACK, DONE, BUSY };

/* >>passes ------------------------------------------------------------- */
static void hash_all(dxup_batch *b)
{
    const void *data[64];
    size_t sizes[64];
    dx_cas_id ids[64];
    for (size_t from = 0; from < b->chunk_count; from += 64) {
        size_t n = b->chunk_count - from < 64 ? b->chunk_count - from : 64;
        for (size_t i = 0; i < n; i++) {
            data[i] = b->bytes + b->chunks[from + i].at;
            sizes[i] = b->chunks[from + i].size;
        }
        dx_cas_hash_many(data, sizes, n, ids);
        for (size_t i = 0; i < n; i++) memcpy(b->chunks[from + i].id, ids[i].bytes, 32);
    }
}

static void pack_all(dxup_batch *b, dxup_packer *packer)
{
    uint32_t used = 0;
    for (size_t i = 0; i < b->chunk_count; i++) {
        assert(used <= DXUP_BATCH_BYTES);
        dxup_chunk *c = &b->chunks[i];
        if (c->known || !packer) continue;
        c->packed_at = used;
        c->packed_size = (uint32_t)dxup_pack(packer, b->packed + used, c->size - 1,
                                             b->bytes + c->at, c->size);
        used += c->packed_size;
    }
}

static dxup_batch *nth(dxup_ring *r, unsigned i)
{
    assert(i < DXUP_BATCHES);
    return &r->batches[(r->head + i) % DXUP_BATCHES];
}

/* Do one pass on the oldest batch that waits for one. The lock is held, and let go meanwhile. */
static bool help(dxup_ring *r, dxup_packer *packer)
{
    for (unsigned i = 0; i < r->count; i++) {
        dxup_batch *b = nth(r, i);
        int state = b->state;
        if (state != TO_HASH && state != TO_PACK) continue;
        b->state = BUSY;
        pthread_mutex_unlock(&r->lock);
        if (state == TO_HASH) hash_all(b);
        else pack_all(b, packer);
        pthread_mutex_lock(&r->lock);
        assert(b->state == BUSY);
        b->state = state == TO_HASH ? HASHED : DONE;
        pthread_cond_signal(&r->done);
        return true;
    }
    return false;
}

static void *run(void *user)
{
    dxup_ring *r = user;
    dxup_packer *packer = dxup_packer_open();
    pthread_mutex_lock(&r->lock);
    while (!r->stopping)
        if (!help(r, packer)) pthread_cond_wait(&r->work, &r->lock);
    pthread_mutex_unlock(&r->lock);
    dxup_packer_close(packer);
    return NULL;
}

/* >>ring --------------------------------------------------------------- */
void dxup_ring_open(dxup_ring *r, unsigned workers)
{
    workers = prog_thread_count(workers, DXUP_WORKERS_MAX);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->done, NULL);
    for (int i = 0; i < DXUP_BATCHES; i++) {
        dxup_batch *b = &r->batches[i];
        b->bytes = prog_alloc(DXUP_BATCH_BYTES);
        b->packed = prog_alloc(DXUP_BATCH_BYTES);
        b->text = prog_alloc(DXUP_BATCH_TEXT);
        b->chunks = prog_alloc(DXUP_BATCH_CHUNKS * sizeof *b->chunks);
        b->events = prog_alloc(DXUP_BATCH_EVENTS * sizeof *b->events);
    }
    while (r->thread_count < workers) { /* one that cannot be had is done without */
        if (pthread_create(&r->threads[r->thread_count], NULL, run, r)) break;
        r->thread_count++;
    }
}

void dxup_ring_close(dxup_ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->thread_count; i++) pthread_join(r->threads[i], NULL);
    for (int i = 0; i < DXUP_BATCHES; i++) {
        dxup_batch *b = &r->batches[i];
        free(b->bytes);
        free(b->packed);
        free(b->text);
        free(b->chunks);
        free(b->events);
    }
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
}

static dxup_batch *oldest_hashed(dxup_ring *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (nth(r, i)->state == HASHED) return nth(r, i);
    return NULL;
}

/* Which chunks does the store have? Answers what the first pass found. The lock is let go meanwhile, and an older
   batch may become HASHED then, which tells this thread while it does not wait: it looks at all of them again, and
   when it returns, with the lock held, none is left. */
static void look_up(dxup_ring *r)
{
    dxup_batch *b;
    while ((b = oldest_hashed(r))) {
        bool pack = false;
        b->state = BUSY;
        pthread_mutex_unlock(&r->lock);
        r->look_up(r->user, b);
        for (size_t c = 0; c < b->chunk_count; c++) pack |= !b->chunks[c].known;
        pthread_mutex_lock(&r->lock);
        assert(b->state == BUSY);
        b->state = pack ? TO_PACK : DONE;
        if (pack) pthread_cond_signal(&r->work);
    }
}

static void clear(dxup_batch *b)
{
    b->state = FREE;
    b->size = b->text_size = b->chunk_count = b->event_count = 0;
}

/* Take the ring on until at most `left_max` batches are on their way. */
static int advance(dxup_ring *r, unsigned left_max)
{
    int status = PROG_OK;
    pthread_mutex_lock(&r->lock);
    while (!status && r->count > left_max) {
        look_up(r);
        dxup_batch *b = nth(r, 0);
        if (b->state == DONE) {
            pthread_mutex_unlock(&r->lock);
            status = r->retire(r->user, b);
            pthread_mutex_lock(&r->lock);
            clear(b);
            assert(r->count > 0);
            r->head = (r->head + 1) % DXUP_BATCHES;
            r->count--;
        } else if (!r->thread_count) {
            help(r, NULL);
        } else {
            pthread_cond_wait(&r->done, &r->lock);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return status;
}

dxup_batch *dxup_ring_fill(dxup_ring *r) { return nth(r, r->count); }

int dxup_ring_submit(dxup_ring *r)
{
    pthread_mutex_lock(&r->lock);
    dxup_batch *b = nth(r, r->count);
    assert(b->state == FREE);
    assert(b->size <= DXUP_BATCH_BYTES && b->text_size <= DXUP_BATCH_TEXT);
    assert(b->chunk_count <= DXUP_BATCH_CHUNKS && b->event_count <= DXUP_BATCH_EVENTS);
    b->state = b->chunk_count ? TO_HASH : DONE;
    r->count++;
    look_up(r);
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    return advance(r, DXUP_BATCHES - 1);
}

int dxup_ring_drain(dxup_ring *r) { return advance(r, 0); }
#endif
