/* A thread that makes patches of large records. See patcher.h. */
#include "patcher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_MAX = 16 << 20, /* of dx_patch_create() */
    QUEUE_MAX  = 8 << 20   /* bytes of records that wait or are worked on: about half a second's work */
};

static pthread_t       thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  change = PTHREAD_COND_INITIALIZER;
static dxdb_patching  *first; /* the queue: under the mutex, as the following */
static dxdb_patching **last = &first;
static size_t          queued_bytes;
static bool            is_ending;

size_t dxdb_patch_make(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                       uint8_t *patch)
{
    dx_patch_create_desc desc;
    size_t size = 0;
    memset(&desc, 0, sizeof desc);
    desc.level = 1;
    desc.memory_size = dx_patch_create_memory_size(&desc, from_size, to_size);
    if (!desc.memory_size || desc.memory_size > MEMORY_MAX) desc.memory_size = MEMORY_MAX;
    desc.memory = prog_alloc(desc.memory_size);
    const int error = dx_patch_create(&desc, from, from_size, to, to_size, patch, to_size - 1, &size);
    free(desc.memory);
    return error ? 0 : size;
}

static void *run(void *user)
{
    (void)user;
    pthread_mutex_lock(&mutex);
    while (true) {
        dxdb_patching *p = first;
        if (!p && is_ending) break;
        if (!p) {
            pthread_cond_wait(&change, &mutex);
            continue;
        }
        first = p->queued;
        if (!first) last = &first;
        const size_t bytes = p->from_size + p->to_size;
        pthread_mutex_unlock(&mutex);
        p->patch_size = dxdb_patch_make(p->from, p->from_size, p->to, p->to_size, p->patch);
        atomic_store(&p->is_done, true); /* it may be freed from here on */
        pthread_mutex_lock(&mutex);
        queued_bytes -= bytes;
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

int dxdb_patcher_begin(void)
{
    const int error = pthread_create(&thread, NULL, run, NULL);
    return error ? prog_fail(PROG_SYSTEM, "cannot start the thread that makes patches: %s",
                                          strerror(error)) : PROG_OK;
}

dxdb_patching *dxdb_patcher_submit(const uint8_t *from, size_t from_size, const uint8_t *to,
                                   size_t to_size, void *user)
{
    const size_t bytes = from_size + to_size;
    pthread_mutex_lock(&mutex);
    const bool has_room = bytes <= QUEUE_MAX - queued_bytes;
    if (has_room) queued_bytes += bytes;
    pthread_mutex_unlock(&mutex);
    if (!has_room) return NULL;
    dxdb_patching *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->from = prog_alloc(from_size);
    memcpy(p->from, from, from_size);
    p->from_size = from_size;
    p->to = prog_alloc(to_size);
    memcpy(p->to, to, to_size);
    p->to_size = to_size;
    p->patch = prog_alloc(to_size);
    p->user = user;
    pthread_mutex_lock(&mutex);
    *last = p;
    last = &p->queued;
    pthread_cond_signal(&change);
    pthread_mutex_unlock(&mutex);
    return p;
}

void dxdb_patcher_free(dxdb_patching *p)
{
    free(p->from);
    free(p->to);
    free(p->patch);
    free(p);
}

void dxdb_patcher_end(void)
{
    pthread_mutex_lock(&mutex);
    is_ending = true;
    pthread_cond_signal(&change);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
}
