/* Patches between published versions, made on a thread of their own: a large one takes seconds, and
   workers must not block. A cache holds the results:

       FREE -> WAITING -> MAKING -> READY (the patch) or NONE (no patch is smaller than the content)

   Any worker asks with dxup_patches_get(). An entry made for a client that supports containers is
   shared with other clients unless unpacking made the patch smaller. Entries in use have holders; the
   least recently used of the others is evicted when room is needed. One lock guards everything; it is
   not held while a patch is made. */
#include "patches.h"
#include "../../sync/contained.h"
#include "../../sync/wire.h"
#include "../../common/os.h"
#include "../../containers/container.h"

#include "../../../dx_patch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CACHE_COUNT    = 64,
    CACHE_SIZE_MAX = 12 << 20,
    PATCH_SIZE_MAX = 8 << 20,  /* compressed chunks are hardly larger than such a patch */
    MEMORY_FROM    = 1 << 20,  /* larger versions are mapped from a temporary file */
    PIECE_SIZE     = 1 << 20,  /* at least an object */
    SEARCH_MAX     = 24 << 20, /* bytes for making a patch: larger versions get a sparser index */
    APPLY_MAX      = 24 << 20, /* bytes that the client needs for applying it */
    STREAMS_MAX    = 4 << 20,  /* bytes of a version: up to here, streams are tried */
    RELEASE_NS     = 10000000  /* between two releases of mapped pages */
};

typedef struct entry {
    versions_version base, target;
    unsigned     kinds;     /* of containers that the client supports */
    bool         contained; /* it is a patch between containers */
    bool         streams;   /* its coding is one that clients before 0.3.0 do not know */
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
    uint64_t        size_max; /* larger versions get a plan; guarded by lock */
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
    const bool suits_all = (e->state == READY || e->state == NONE) && !e->contained && !e->streams;
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

/* >>content ------------------------------------------------------------ */
/* The content of a version. A large one is in a temporary file without a name, and mapped: the system
   can take these pages back, unlike allocated ones. */
typedef struct content {
    uint8_t *bytes; /* NULL: it cannot be read */
    size_t   size;
    bool     mapped;
    char     folder[PROG_PATH_SIZE_MAX + 1]; /* of the temporary file */
} content;

/* Reads a version, or a file of a snapshot, from its beginning. */
typedef struct source {
    versions_content *version; /* NULL: it is a file */
    versions_store   *store;
    versions_parts    parts;
} source;

/* Read the next piece, at most capacity bytes at `at`. */
static int read_piece(source *from, uint64_t at, uint64_t left, uint8_t *out, size_t capacity,
                      size_t *size)
{
    const uint8_t *id;
    uint64_t start, whole;
    *size = left < capacity ? (size_t)left : capacity;
    if (from->version) return versions_content_read(from->version, at, out, *size);
    int status = versions_parts_find(&from->parts, at, &id, &start, &whole);
    if (!status && (start != at || whole > *size || !whole)) status = PROG_DAMAGED;
    if (!status) status = versions_parts_read(from->store, id, whole, out, (size_t)whole);
    *size = (size_t)whole;
    return status;
}

/* Write the content to file, or to memory if that is -1. */
static int copy(source *from, int file, uint8_t *memory, uint64_t size)
{
    uint8_t *piece = file < 0 ? NULL : prog_alloc(PIECE_SIZE);
    size_t got = 0;
    int status = PROG_OK;
    for (uint64_t at = 0; !status && at < size; at += got) {
        status = read_piece(from, at, size - at, piece ? piece : memory + at, PIECE_SIZE, &got);
        if (!status && piece && !prog_write_all(file, piece, got)) status = PROG_SYSTEM;
    }
    free(piece);
    return status;
}

/* A file that has no name from now on. -1: there is no place for it. */
static int open_temporary(content *c)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    if (os_make_temporary_folder(c->folder, sizeof c->folder) < 0) {
        c->folder[0] = 0;
        return -1;
    }
    snprintf(path, sizeof path, "%s/version", c->folder);
    const int file = os_open_unnamed(path);
    if (os_remove_folder(c->folder) == 0) c->folder[0] = 0; /* not where open files keep their names */
    return file;
}

static void unload(content *c)
{
    if (c->mapped) os_unmap(c->bytes, c->size);
    else free(c->bytes);
    if (c->folder[0]) (void)prog_remove_all(c->folder);
    c->bytes = NULL;
}

/* Is the content in a temporary file now? If not, there is no space for it, or it cannot be read. */
static bool map_copy(content *c, source *from)
{
    const int file = open_temporary(c);
    if (file < 0) return false;
    if (!copy(from, file, NULL, c->size)) c->bytes = (uint8_t *)(uintptr_t)os_map(file, c->size);
    c->mapped = c->bytes != NULL;
    (void)os_close(file);
    return c->mapped;
}

static void load(content *c, versions_store *s, const versions_version *v)
{
    dx_tree_entry file = {.type = DX_TREE_FILE, .level = v->level, .size = v->size};
    source *from = prog_alloc(sizeof *from);
    int status = PROG_OK;
    *c = (content){.size = (size_t)v->size};
    *from = (source){.store = s};
    memcpy(file.id, v->root, sizeof file.id);
    prog_mute(v->entry);
    if (v->entry) versions_parts_open(&from->parts, s, &file);
    else status = versions_content_open(&from->version, s, v);
    if (!status && (v->size < MEMORY_FROM || !map_copy(c, from))) {
        c->bytes = malloc(v->size ? c->size : 1);
        if (c->bytes && copy(from, -1, c->bytes, c->size)) {
            free(c->bytes);
            c->bytes = NULL;
        }
    }
    if (v->entry) versions_parts_close(&from->parts);
    else if (from->version) versions_content_close(from->version);
    prog_mute(false);
    free(from);
}

/* >>release ------------------------------------------------------------ */
/* A patch reads both versions from end to end, so all their pages would stay in the memory of the process
   until they are unmapped. A thread releases them again and again while a patch is made; those in use
   come back from the system's cache. */
typedef struct releaser {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  end;
    bool            started;
    bool            over;
    const content  *two; /* base and target */
} releaser;

static void *release_pages(void *user)
{
    releaser *r = user;
    pthread_mutex_lock(&r->lock);
    while (!r->over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += RELEASE_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&r->end, &r->lock, &until);
        for (int i = 0; i < 2; i++)
            if (r->two[i].mapped) os_release(r->two[i].bytes, r->two[i].size);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Without the thread the pages stay: the system can still take them. */
static void start_releasing(releaser *r, const content *two)
{
    *r = (releaser){.two = two};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->end, NULL);
    if (two[0].mapped || two[1].mapped)
        r->started = pthread_create(&r->thread, NULL, release_pages, r) == 0;
}

static void stop_releasing(releaser *r)
{
    pthread_mutex_lock(&r->lock);
    r->over = true;
    pthread_cond_signal(&r->end);
    pthread_mutex_unlock(&r->lock);
    if (r->started) pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->end);
    pthread_mutex_destroy(&r->lock);
}

/* >>making ------------------------------------------------------------- */
/* Make a patch between both contents as they are. NULL: it fails, or has PATCH_SIZE_MAX bytes or more,
   or is not smaller than the target. */
static uint8_t *create(const content *base, const content *target, uint32_t codings, size_t *size)
{
    dx_patch_create_desc desc = {.apply_memory_max = APPLY_MAX, .codings = codings};
    const size_t room = target->size < PATCH_SIZE_MAX ? target->size : PATCH_SIZE_MAX;
    desc.memory_size = dx_patch_create_memory_size(&desc, base->size, target->size);
    if (desc.memory_size > SEARCH_MAX) desc.memory_size = SEARCH_MAX;
    desc.memory = malloc(desc.memory_size);
    uint8_t *out = malloc(room ? room : 1);
    *size = 0;
    if (!desc.memory || !out ||
        dx_patch_create(&desc, base->bytes, base->size, target->bytes, target->size, out, room, size))
        *size = 0;
    free(desc.memory);
    assert(*size <= room);
    if (*size) return realloc(out, *size);
    free(out);
    return NULL;
}

/* Is a poor patch worth another try as streams? They are half of the range coder's size where the new
   bytes are words without an alignment, but take ten times as long, and above STREAMS_MAX more memory. */
static bool is_worth_streams(const content *base, const content *target, const uint8_t *out, size_t size)
{
    const bool small = base->size <= STREAMS_MAX && target->size <= STREAMS_MAX;
    return small && (!out || size > target->size / 8);
}

/* The smallest of three: between the contents as they are, between the unpacked containers, as streams.
   The last two are for clients that name kinds of containers. NULL: none is smaller than the target,
   which is then sent in full. */
static uint8_t *choose(const content *base, const content *target, entry *job)
{
    uint8_t *out = create(base, target, 1u << DX_PATCH_CODING_PLAIN | 1u << DX_PATCH_CODING_RANGE, &job->size);
    uint8_t *other;
    size_t size = 0;
    if (!job->kinds) return out;
    other = dxup_contained_make(base->bytes, base->size, target->bytes, target->size, job->kinds,
                                out ? job->size : target->size, &size);
    job->contained = other != NULL;
    if (!other && is_worth_streams(base, target, out, job->size)) {
        other = create(base, target, 1u << DX_PATCH_CODING_STREAMS, &size);
        job->streams = other && (!out || size < job->size);
    }
    if (!job->contained && !job->streams) {
        free(other);
        return out;
    }
    free(out);
    job->size = size;
    return other;
}

/* Load both contents and choose. */
static uint8_t *make(versions_store *s, entry *job)
{
    content *c = prog_alloc(2 * sizeof *c), *base = c, *target = c + 1;
    releaser *r = prog_alloc(sizeof *r);
    uint8_t *out = NULL;
    *target = (content){.bytes = NULL};
    load(base, s, &job->base);
    if (base->bytes) load(target, s, &job->target);
    start_releasing(r, c);
    if (target->bytes) out = choose(base, target, job);
    stop_releasing(r);
    free(r);
    unload(base);
    unload(target);
    free(c);
    return out;
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

static uint64_t size_max_of(dxup_patches *p)
{
    pthread_mutex_lock(&p->lock);
    const uint64_t size_max = p->size_max;
    pthread_mutex_unlock(&p->lock);
    return size_max;
}

enum dxup_patch_answer dxup_patches_get_file(dxup_patches *p, versions_store *s,
                                             const dx_tree_entry *base, const dx_tree_entry *target,
                                             unsigned kinds, dxup_patch *patch)
{
    versions_version from, to;
    const uint64_t size_max = size_max_of(p);
    if (!describe(s, size_max, base, &from) || !describe(s, size_max, target, &to))
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

/* >>thread ------------------------------------------------------------- */
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
        const bool large = copy.base.size > p->size_max || copy.target.size > p->size_max;
        pthread_mutex_unlock(&p->lock);
        versions_store *s;
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
        job->streams = copy.streams;
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

void dxup_patches_limit(dxup_patches *p, uint64_t size_max)
{
    pthread_mutex_lock(&p->lock);
    p->size_max = size_max;
    pthread_mutex_unlock(&p->lock);
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
