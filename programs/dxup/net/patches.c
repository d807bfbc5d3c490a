/* Patches between published versions, made on a thread of their own: a large one takes seconds, and
   workers must not block. A cache holds the results:

       FREE -> WAITING -> MAKING -> READY (the patch) or NONE (no patch is smaller than the content)

   Any worker asks with dxup_patches_get(). An entry made for a client that supports containers is
   shared with other clients unless unpacking made the patch smaller. Entries in use have holders; the
   least recently used of the others is evicted when room is needed. One lock guards everything; it is
   not held while a patch is made. */
#include "patches.h"
#include "contained.h"
#include "whole.h"
#include "wire.h"
#include "../../common/os.h"
#include "../../containers/container.h"

#include "../../../dx_patch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_COUNT = 64, CACHE_SIZE_MAX = 64 << 20 };

typedef struct entry {
    versions_version base, target;
    unsigned     kinds;     /* of containers that the client supports */
    bool         contained; /* it is a patch between containers */
    enum { FREE, WAITING, MAKING, READY, NONE } state;
    unsigned     holders; /* connections that send it */
    uint64_t     since;   /* clock of the first request: patches are made in this order */
    uint64_t     used;    /* clock of the last one */
    uint8_t     *bytes; /* the patch, size bytes, */
    dxup_plan   *plan;  /* or a plan for reading it from the store; size is the memory of the plan */
    size_t       size;
} entry;

struct dxup_patches {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  work;
    bool            stopping;
    uint64_t        clock;    /* counts requests */
    uint64_t        size_max; /* larger versions get a plan */
    const char     *store_path;
    void          (*ready)(void *user);
    void           *user;
    entry           cache[CACHE_COUNT];
};

static bool is_evictable(const entry *e)
{
    return (e->state == READY || e->state == NONE) && !e->holders;
}

static void evict(entry *e)
{
    assert(!e->holders);
    free(e->bytes);
    dxup_plan_free(e->plan);
    memset(e, 0, sizeof *e);
}

/* A free entry; evicts the least recently used one if necessary. NULL: all are in use. */
static entry *reuse_entry(dxup_patches *p)
{
    entry *oldest = NULL;
    for (entry *e = p->cache; e < p->cache + CACHE_COUNT; e++) {
        if (e->state == FREE) return e;
        if (is_evictable(e) && (!oldest || e->used < oldest->used)) oldest = e;
    }
    if (oldest) evict(oldest);
    return oldest;
}

/* Evict, least recently used first, until the cache is within its limit or all are in use. */
static void shrink(dxup_patches *p)
{
    for (;;) {
        size_t total = 0;
        entry *oldest = NULL;
        for (entry *e = p->cache; e < p->cache + CACHE_COUNT; e++) {
            total += e->size;
            if (e->size && is_evictable(e) && (!oldest || e->used < oldest->used)) oldest = e;
        }
        if (total <= CACHE_SIZE_MAX || !oldest) return;
        evict(oldest);
    }
}

unsigned dxup_patches_kinds(uint32_t flags)
{
    return flags & DXUP_CONTAINERS ? flags >> DXUP_KINDS_SHIFT & container_kinds() : 0;
}

/* Does the entry match this request? */
static bool answers(const entry *e, const versions_version *base, const versions_version *target,
                    unsigned kinds)
{
    if (e->state == FREE || memcmp(e->base.hash, base->hash, PROG_HASH_SIZE) != 0 ||
        memcmp(e->target.hash, target->hash, PROG_HASH_SIZE) != 0)
        return false;
    const bool suits_all = (e->state == READY || e->state == NONE) && !e->contained;
    return e->kinds == kinds || (!kinds && suits_all);
}

enum dxup_patch_answer dxup_patches_get(dxup_patches *p, const versions_version *base,
                                        const versions_version *target, unsigned kinds,
                                        dxup_patch *patch)
{
    entry *found = NULL;
    enum dxup_patch_answer answer = DXUP_PATCH_PENDING;
    pthread_mutex_lock(&p->lock);
    for (entry *e = p->cache; !found && e < p->cache + CACHE_COUNT; e++)
        if (answers(e, base, target, kinds)) found = e;
    bool is_new = !found;
    if (is_new) found = reuse_entry(p);
    if (is_new && found) {
        assert(found->state == FREE && !found->holders);
        found->base = *base;
        found->target = *target;
        found->kinds = kinds;
        found->state = WAITING;
        found->since = p->clock + 1;
        pthread_cond_signal(&p->work);
    }
    if (found) found->used = ++p->clock;
    if (!found || found->state == NONE) answer = DXUP_PATCH_NONE; /* none, or all entries are in use */
    else if (found->state == READY) {
        found->holders++;
        *patch = (dxup_patch){found->bytes, found->plan,
                              found->plan ? dxup_plan_size(found->plan) : found->size, found};
        answer = DXUP_PATCH_READY;
    }
    pthread_mutex_unlock(&p->lock);
    return answer;
}

void dxup_patches_release(dxup_patches *p, dxup_patch *patch)
{
    if (!patch->entry) return;
    pthread_mutex_lock(&p->lock);
    assert(((entry *)patch->entry)->holders > 0);
    ((entry *)patch->entry)->holders--;
    shrink(p);
    pthread_mutex_unlock(&p->lock);
    memset(patch, 0, sizeof *patch);
}

/* >>thread ------------------------------------------------------------- */
/* Load the content of a version. NULL: failed. */
static uint8_t *load(versions_store *s, const versions_version *v)
{
    versions_content *c;
    if (v->entry) {
        dx_tree_entry file = {.type = DX_TREE_FILE, .level = v->level, .size = v->size};
        memcpy(file.id, v->root, sizeof file.id);
        return dxup_whole_read(s, &file);
    }
    uint8_t *bytes = malloc(v->size ? (size_t)v->size : 1);
    if (!bytes) return NULL;
    int status = versions_content_open(&c, s, v);
    if (!status) {
        status = versions_content_read(c, 0, bytes, (size_t)v->size);
        versions_content_close(c);
    }
    if (!status) return bytes;
    free(bytes);
    return NULL;
}

/* Make the patch between both contents as they are. NULL: it fails, or is not smaller
   than the target. */
static uint8_t *make_plain(const uint8_t *base, size_t base_size, const uint8_t *target,
                           size_t target_size, size_t *size)
{
    dx_patch_create_desc desc = {0};
    desc.memory_size = dx_patch_create_memory_size(&desc, base_size, target_size);
    desc.memory = malloc(desc.memory_size);
    desc.codings = 1u << DX_PATCH_CODING_PLAIN | 1u << DX_PATCH_CODING_RANGE;
    uint8_t *out = malloc(target_size ? target_size : 1);
    *size = 0;
    if (!desc.memory || !out ||
        dx_patch_create(&desc, base, base_size, target, target_size, out, target_size, size))
        *size = 0;
    free(desc.memory);
    assert(*size <= target_size);
    if (*size) return realloc(out, *size);
    free(out);
    return NULL;
}

/* Make the smaller of that patch and the one between the unpacked containers. NULL: neither is
   smaller than the target, which is then sent in full. */
static uint8_t *make(versions_store *s, entry *job)
{
    uint8_t *base = load(s, &job->base), *target = base ? load(s, &job->target) : NULL;
    uint8_t *out = NULL, *other = NULL;
    size_t base_size = (size_t)job->base.size, target_size = (size_t)job->target.size, size = 0;
    if (target) out = make_plain(base, base_size, target, target_size, &job->size);
    if (target && job->kinds)
        other = dxup_contained_make(base, base_size, target, target_size, job->kinds,
                                    out ? job->size : target_size, &size);
    free(base);
    free(target);
    if (!other) return out;
    free(out);
    job->contained = true;
    job->size = size;
    return other;
}

/* >>files of snapshots -------------------------------------------------- */
/* The hash of such a description identifies the content in the cache. It is that of the content only at
   level 0. */
static bool describe(versions_store *s, uint64_t size_max, const dx_tree_entry *file,
                     versions_version *out)
{
    dx_cas_blake3 h;
    memset(out, 0, sizeof *out);
    out->kind = PROG_FILE;
    out->entry = true;
    out->level = file->level;
    out->size = file->size;
    memcpy(out->root, file->id, sizeof out->root);
    memcpy(out->hash, file->id, sizeof out->hash);
    if (file->level) {
        uint8_t number[9] = {file->level};
        for (int i = 0; i < 8; i++) number[1 + i] = (uint8_t)(file->size >> (8 * i) & 0xff);
        dx_cas_blake3_init(&h);
        dx_cas_blake3_update(&h, number, sizeof number);
        dx_cas_blake3_update(&h, file->id, sizeof file->id);
        dx_cas_blake3_final(&h, out->hash, sizeof out->hash);
    }
    return file->size <= size_max && file->size <= DXUP_CONTAINER_MAX &&
           versions_object_has(s, file->id, file->level ? 0 : file->size);
}

enum dxup_patch_answer dxup_patches_get_file(dxup_patches *p, versions_store *s,
                                             const dx_tree_entry *base, const dx_tree_entry *target,
                                             unsigned kinds, dxup_patch *patch)
{
    versions_version from, to;
    if (!describe(s, p->size_max, base, &from) || !describe(s, p->size_max, target, &to))
        return DXUP_PATCH_NONE;
    return dxup_patches_get(p, &from, &to, kinds, patch);
}

uint8_t *dxup_patches_make_file(versions_store *s, uint64_t size_max, const dx_tree_entry *base,
                                const dx_tree_entry *target, unsigned kinds, size_t *size)
{
    entry job = {.kinds = kinds};
    if (!describe(s, size_max, base, &job.base) || !describe(s, size_max, target, &job.target))
        return NULL;
    uint8_t *patch = make(s, &job);
    *size = job.size;
    return patch;
}

/* The thread: make patches in the order of the requests until stopped. */
static void *run(void *user)
{
    dxup_patches *p = user;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        entry *job = NULL, copy;
        for (entry *e = p->cache; e < p->cache + CACHE_COUNT; e++)
            if (e->state == WAITING && (!job || e->since < job->since)) job = e;
        if (!job) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        job->state = MAKING;
        copy = *job;
        pthread_mutex_unlock(&p->lock);
        versions_store *s;
        bool large = copy.base.size > p->size_max || copy.target.size > p->size_max;
        if (!versions_store_open(&s, p->store_path, VERSIONS_READ)) {
            if (large) copy.plan = dxup_plan_make(s, &copy.base, &copy.target);
            else copy.bytes = make(s, &copy);
            versions_store_close(s);
        }
        if (copy.plan) copy.size = dxup_plan_memory(copy.plan);
        pthread_mutex_lock(&p->lock);
        assert(job->state == MAKING && !job->holders);
        assert(!copy.bytes || !copy.plan);
        job->bytes = copy.bytes;
        job->plan = copy.plan;
        job->size = copy.size;
        job->contained = copy.contained;
        job->state = copy.bytes || copy.plan ? READY : NONE;
        shrink(p);
        pthread_mutex_unlock(&p->lock);
        p->ready(p->user);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int dxup_patches_start(dxup_patches **out, const char *store_path, uint64_t size_max,
                       void (*ready)(void *user), void *user)
{
    dxup_patches *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->store_path = store_path;
    p->size_max = size_max;
    p->ready = ready;
    p->user = user;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    int error = pthread_create(&p->thread, NULL, run, p);
    if (error) {
        free(p);
        return prog_fail(PROG_SYSTEM, "cannot start a thread: %s", os_error_text(error));
    }
    *out = p;
    return PROG_OK;
}

void dxup_patches_stop(dxup_patches *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    for (entry *e = p->cache; e < p->cache + CACHE_COUNT; e++) evict(e);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
