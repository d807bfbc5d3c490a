#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "batch.h"

#include "../store/codec.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FREE, TO_HASH, HASHED, TO_PACK, DONE, BUSY };

/* >>passes ------------------------------------------------------------- */
static void hash_all(versions_batch *b, const versions_prints *prints)
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
        for (size_t i = 0; i < n; i++) {
            versions_chunk *c = &b->chunks[from + i];
            memcpy(c->id, ids[i].bytes, 32);
            if (prints) versions_print_make(prints, data[i], c->size, &c->print);
        }
    }
}

static void pack_all(versions_batch *b, versions_packer *packer)
{
    uint32_t used = 0;
    for (size_t i = 0; i < b->chunk_count; i++) {
        assert(used <= VERSIONS_BATCH_BYTES);
        versions_chunk *c = &b->chunks[i];
        if (c->known || c->follows || !packer) continue;
        c->packed_at = used;
        c->packed_size = (uint32_t)versions_pack(packer, b->packed + used, c->size - 1,
                                                 b->bytes + c->at, c->size);
        used += c->packed_size;
    }
}

static versions_batch *nth(versions_ring *r, unsigned i)
{
    assert(i < r->batch_count);
    return &r->batches[(r->head + i) % r->batch_count];
}

/* Run one pass on the oldest batch that waits for one. Called with the lock held;
   releases it meanwhile. */
static bool help(versions_ring *r, versions_packer *packer)
{
    for (unsigned i = 0; i < r->count; i++) {
        versions_batch *b = nth(r, i);
        int state = b->state;
        if (state != TO_HASH && state != TO_PACK) continue;
        b->state = BUSY;
        pthread_mutex_unlock(&r->lock);
        if (state == TO_HASH) hash_all(b, r->prints);
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
    versions_ring *r = user;
    versions_packer *packer = versions_packer_open();
    pthread_mutex_lock(&r->lock);
    while (!r->stopping)
        if (!help(r, packer)) pthread_cond_wait(&r->work, &r->lock);
    pthread_mutex_unlock(&r->lock);
    versions_packer_close(packer);
    return NULL;
}

/* >>ring --------------------------------------------------------------- */
void versions_ring_open(versions_ring *r, unsigned workers, uint64_t held_bytes)
{
    r->hold = held_bytes > 0;
    r->batch_count = VERSIONS_BATCHES + (unsigned)(held_bytes / VERSIONS_BATCH_BYTES);
    r->batches = prog_alloc(r->batch_count * sizeof *r->batches);
    memset(r->batches, 0, r->batch_count * sizeof *r->batches);
    workers = prog_thread_count(workers, VERSIONS_WORKERS_MAX);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->done, NULL);
    for (unsigned i = 0; i < r->batch_count; i++) {
        versions_batch *b = &r->batches[i];
        b->bytes = prog_alloc(VERSIONS_BATCH_BYTES);
        b->packed = prog_alloc(VERSIONS_BATCH_BYTES);
        b->text = prog_alloc(VERSIONS_BATCH_TEXT);
        b->chunks = prog_alloc(VERSIONS_BATCH_CHUNKS * sizeof *b->chunks);
        b->events = prog_alloc(VERSIONS_BATCH_EVENTS * sizeof *b->events);
    }
    while (r->thread_count < workers) { /* with fewer threads if some cannot be created */
        if (pthread_create(&r->threads[r->thread_count], NULL, run, r)) break;
        r->thread_count++;
    }
}

void versions_ring_close(versions_ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->thread_count; i++) pthread_join(r->threads[i], NULL);
    for (unsigned i = 0; i < r->batch_count; i++) {
        versions_batch *b = &r->batches[i];
        free(b->bytes);
        free(b->packed);
        free(b->text);
        free(b->chunks);
        free(b->events);
    }
    free(r->batches);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
}

void versions_ring_prepare(versions_ring *r, uint64_t bytes)
{
    enum { PAGE = 4096 };
    const uint64_t count = bytes / VERSIONS_BATCH_BYTES + 2;
    for (unsigned i = 0; i < r->batch_count && i < count; i++) {
        versions_batch *b = &r->batches[i];
        for (size_t at = 0; at < VERSIONS_BATCH_BYTES; at += PAGE) ((volatile uint8_t *)b->bytes)[at] = 0;
    }
}

static versions_batch *oldest_hashed(versions_ring *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (nth(r, i)->state == HASHED) return nth(r, i);
    return NULL;
}

/* Look up which chunks of HASHED batches the store has. The lock is released meanwhile, and an
   older batch may become HASHED without waking this thread, which is not waiting. So it scans all
   batches again; when it returns, with the lock held, no batch is HASHED. */
static void look_up(versions_ring *r)
{
    versions_batch *b;
    while ((b = oldest_hashed(r))) {
        bool pack = false;
        b->state = BUSY;
        pthread_mutex_unlock(&r->lock);
        r->look_up(r->user, b);
        for (size_t c = 0; c < b->chunk_count; c++)
            pack |= !b->chunks[c].known && !b->chunks[c].follows;
        pthread_mutex_lock(&r->lock);
        assert(b->state == BUSY);
        b->state = pack ? TO_PACK : DONE;
        if (pack) pthread_cond_signal(&r->work);
    }
}

static void clear(versions_batch *b)
{
    b->state = FREE;
    b->size = b->text_size = b->chunk_count = b->event_count = 0;
}

/* Process the ring until at most `left_max` batches are in progress. */
static int advance(versions_ring *r, unsigned left_max)
{
    int status = PROG_OK;
    pthread_mutex_lock(&r->lock);
    while (!status && r->count > left_max) {
        look_up(r);
        versions_batch *b = nth(r, 0);
        if (b->state == DONE) {
            pthread_mutex_unlock(&r->lock);
            status = r->retire(r->user, b);
            pthread_mutex_lock(&r->lock);
            clear(b);
            assert(r->count > 0);
            r->head = (r->head + 1) % r->batch_count;
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

versions_batch *versions_ring_fill(versions_ring *r) { return nth(r, r->count); }

int versions_ring_submit(versions_ring *r)
{
    if (r->hold && r->count == r->batch_count - 1) return PROG_REFUSED;
    pthread_mutex_lock(&r->lock);
    versions_batch *b = nth(r, r->count);
    assert(b->state == FREE);
    assert(b->size <= VERSIONS_BATCH_BYTES && b->text_size <= VERSIONS_BATCH_TEXT);
    assert(b->chunk_count <= VERSIONS_BATCH_CHUNKS && b->event_count <= VERSIONS_BATCH_EVENTS);
    b->state = b->chunk_count ? TO_HASH : DONE;
    r->count++;
    if (!r->hold) look_up(r);
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    return r->hold ? PROG_OK : advance(r, r->batch_count - 1);
}

int versions_ring_drain(versions_ring *r)
{
    r->hold = false;
    return advance(r, 0);
}
#endif
