/* Fault tests of dx_cas.h: failed syncs that leave lost data readable, EIO, ENOSPC, kills and power cuts at any call,
   killed collections, and concurrent readers; and adversarial contents, names and whole stores, whose ids collide in
   the index. docs/formats/cas.md, sections 8 to 10.
   cc -std=c11 -O1 tests/cores/test_cas_faults.c -o build/test_cas_faults -lpthread

   DX_FAULT_RUNS=n   number of seeded runs   DX_FAULT_SEED=n   the first seed   DX_FAULT_SHOW=n   trace one run */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#include "../../layers/dx_tree.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RUNS = 4000 };
#elif defined(__x86_64__)
enum { RUNS = 30000 };
#else
enum { RUNS = 1500 }; /* emulated, or little memory */
#endif

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

/* >>world: files of which a power cut leaves only what was synced, and a name for one of them ---------------- */
enum { CAPACITY = 24576, FILES = 6, INDEX = FILES - 1, VERSIONS = 60, MEMORY = 40960 };
enum { CALL_READ, CALL_WRITE, CALL_SYNC, CALL_OTHER };

typedef struct file {
    uint8_t now[CAPACITY], stable[CAPACITY]; /* what reads return; what is on the medium */
    uint8_t epoch[CAPACITY];                 /* 0: clean in the page cache; else the epoch of the write */
    size_t  size, stable_size, used;         /* used: the end of the highest write ever */
    size_t  cut_to;                          /* the lowest unsynced truncation; CAPACITY: none */
    uint8_t cut_epoch;
    struct world *world;
} file;

typedef struct reader {
    dx_cas_store store;
    int      on; /* its open file; -1: none */
    bool     busy;
    uint64_t opens, looks;
    uint64_t memory[MEMORY / 8];
} reader;

typedef struct world {
    file     files[FILES];
    int      path, path_stable; /* the file that the name refers to; and after a power cut */
    unsigned sector;
    uint8_t  barriers;          /* their number plus one is the current epoch */
    bool     cleans;            /* a failed sync marks its pages clean; else they stay dirty */
    bool     off, cut;          /* the process is dead; from a power cut */
    bool     calm;              /* no fault now */
    bool     struck;            /* a fault struck since this was cleared */
    long     next_fault;
    unsigned failing_syncs;
    size_t   room;
    uint64_t random, faults, lost_syncs, cuts, kills;
    reader   beside;
    struct run *run;
} world;

static unsigned pick(world *w, unsigned n) { return (unsigned)((dx_test_random(&w->random) >> 32) * n >> 32); }

static void reader_look(world *w);

/* Every device call asks this first. Nonzero: the call fails with this error. */
static int strike(world *w, int call)
{
    if (w->off) return DX_CAS_ESYS;
    if (w->calm) return DX_CAS_OK;
    if (call != CALL_READ && pick(w, 3) == 0) reader_look(w);
    if (--w->next_fault > 0) {
        if (call != CALL_SYNC || w->failing_syncs == 0) return DX_CAS_OK;
    } else {
        w->next_fault = 1 + (long)pick(w, pick(w, 3) ? 90 : 12);
        w->faults++;
        w->struck = true;
        switch (pick(w, 8)) {
        case 0:
            w->off = w->cut = true;
            w->cuts++;
            return DX_CAS_ESYS;
        case 1:
        case 2:
            w->off = true;
            w->kills++;
            return DX_CAS_ESYS;
        case 3: return DX_CAS_ESYS;
        case 4: return call == CALL_WRITE ? DX_CAS_ENOSPACE : DX_CAS_ESYS;
        default: w->failing_syncs = 1 + pick(w, 2); break;
        }
        if (call != CALL_SYNC) return DX_CAS_OK;
    }
    w->failing_syncs--;
    w->struck = true;
    w->lost_syncs++;
    return DX_CAS_ESYS;
}

static void put(file *f, size_t at, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        /* Rewriting the same byte while it is dirty keeps its epoch. */
        if (f->now[at + i] != data[i] || f->epoch[at + i] == 0) f->epoch[at + i] = (uint8_t)(f->world->barriers + 1);
        f->now[at + i] = data[i];
    }
    if (f->size < at + size) f->size = at + size;
    if (f->used < at + size) f->used = at + size;
}

/* Write back dirty bytes: all before an epoch, and some sectors of that epoch. */
static void write_back(file *f, unsigned epoch, unsigned keep)
{
    world *w = f->world;
    if (f->cut_to < CAPACITY && (f->cut_epoch < epoch || pick(w, 8) < keep)) {
        if (f->cut_to < f->stable_size) memset(f->stable + f->cut_to, 0, f->stable_size - f->cut_to);
        if (f->cut_to < f->stable_size) f->stable_size = f->cut_to;
    }
    for (size_t at = 0; at < f->size; at += w->sector) {
        bool kept = pick(w, 8) < keep;
        for (size_t i = at; i < at + w->sector && i < f->size; i++) {
            if (f->epoch[i] == 0 || f->epoch[i] > epoch || (f->epoch[i] == epoch && !kept)) continue;
            f->stable[i] = f->now[i];
            if (f->stable_size < i + 1) f->stable_size = i + 1;
        }
    }
}

static void forget_dirty(file *f)
{
    memset(f->epoch, 0, f->used);
    f->cut_to = CAPACITY;
}

static int file_read(void *user, uint64_t at, void *out, size_t size, size_t *got)
{
    file *f = (file *)user;
    *got = 0;
    int error = strike(f->world, CALL_READ);
    if (error || at >= f->size) return error;
    *got = size < f->size - at ? size : f->size - (size_t)at;
    memcpy(out, f->now + at, *got);
    return DX_CAS_OK;
}

static int file_write(void *user, uint64_t at, const void *data, size_t size)
{
    file *f = (file *)user;
    bool was_off = f->world->off;
    int error = strike(f->world, CALL_WRITE);
    if (error == DX_CAS_OK && at + size > f->world->room) {
        error = DX_CAS_ENOSPACE;
        f->world->struck = true;
    }
    if (at + size > CAPACITY) f->world->struck = true;
    if (was_off || at >= CAPACITY || size > CAPACITY - at) return error ? error : DX_CAS_ENOSPACE;
    if (error) size = pick(f->world, (unsigned)size + 1); /* a part may be written */
    put(f, (size_t)at, (const uint8_t *)data, size);
    return error;
}

static int file_sync(void *user)
{
    file *f = (file *)user;
    bool was_off = f->world->off;
    int error = strike(f->world, CALL_SYNC);
    if (was_off) return error;
    if (error == DX_CAS_OK) {
        write_back(f, 256, 8);
        /* the size is written as is; bytes lost by an earlier sync keep their old value */
        if (f->stable_size > f->size) memset(f->stable + f->size, 0, f->stable_size - f->size);
        f->stable_size = f->size;
        forget_dirty(f);
    } else if (!f->world->off && f->world->cleans) {
        write_back(f, 1 + pick(f->world, f->world->barriers + 1u), pick(f->world, 9));
        forget_dirty(f);
    }
    return error;
}

static int file_barrier(void *user)
{
    file *f = (file *)user;
    int error = strike(f->world, CALL_SYNC);
    if (error == DX_CAS_OK && f->world->barriers < 200) f->world->barriers++;
    else if (error == DX_CAS_OK) write_back(f, 256, 8);
    else if (!f->world->off && f->world->cleans) {
        write_back(f, 1 + pick(f->world, f->world->barriers + 1u), pick(f->world, 9));
        forget_dirty(f);
    }
    return error;
}

static int file_size(void *user, uint64_t *size)
{
    file *f = (file *)user;
    *size = f->size;
    return strike(f->world, CALL_OTHER);
}

static int file_truncate(void *user, uint64_t size)
{
    file *f = (file *)user;
    bool was_off = f->world->off;
    int error = strike(f->world, CALL_OTHER);
    if (was_off || error || size >= f->size) return error;
    memset(f->now + size, 0, f->size - (size_t)size);
    memset(f->epoch + size, 0, f->size - (size_t)size);
    f->size = (size_t)size;
    if (f->cut_to > f->size) f->cut_epoch = (uint8_t)(f->world->barriers + 1);
    if (f->cut_to > f->size) f->cut_to = f->size;
    return DX_CAS_OK;
}

static dx_cas_device file_device(file *f, bool barrier)
{
    dx_cas_device d = {file_read, file_write, file_sync, file_size, file_truncate, f, barrier ? file_barrier : NULL};
    return d;
}

static void file_clear(file *f)
{
    memset(f->now, 0, f->used);
    memset(f->stable, 0, f->used);
    memset(f->epoch, 0, f->used);
    f->size = f->stable_size = f->used = 0;
    f->cut_to = CAPACITY;
}

/* Power returns. */
static void power(world *w)
{
    for (int i = 0; i < FILES; i++) {
        file *f = &w->files[i];
        write_back(f, 1 + pick(w, w->barriers + 1u), pick(w, 9));
        memcpy(f->now, f->stable, f->used);
        f->size = f->stable_size;
        forget_dirty(f);
    }
    if (pick(w, 2)) w->path = w->path_stable;
    w->path_stable = w->path;
    w->barriers = 0;
    w->beside.on = -1;
    w->off = w->cut = false;
}

static int folder_sync(world *w)
{
    int error = strike(w, CALL_OTHER); /* not a sync that loses pages */
    if (error == DX_CAS_OK) w->path_stable = w->path;
    return error;
}

/* >>run: sessions of writers in sequence; each commits versions of one name -------------------------------- */
typedef struct run {
    world        world;
    dx_cas_store store, fresh;
    uint64_t     seed, random;
    uint64_t     chain[VERSIONS + 2];   /* the content of version i + 1; the last may only have been attempted */
    unsigned     seen, acked, durable;  /* versions: last seen; acknowledged; guaranteed to survive a power cut */
    unsigned     attempted;
    uint32_t     level;
    bool         barrier, any_level, side, loose, shown, damaged;
    uint64_t     stamps, sessions, collections, undone, refused, checks;
    const char  *what;
    jmp_buf      failed;
    uint64_t     memory[MEMORY / 8], fresh_memory[MEMORY / 8];
} run;

#define NEED(r, condition)                                                                               \
    do {                                                                                                 \
        if (!(condition)) {                                                                              \
            fprintf(stderr, "run %llu, line %d: %s\n", (unsigned long long)(r)->seed, __LINE__, #condition); \
            longjmp((r)->failed, 1);                                                                     \
        }                                                                                                \
    } while (0)
#define SHOW(r, ...)                                                                                     \
    do {                                                                                                 \
        if ((r)->shown) printf(__VA_ARGS__);                                                             \
    } while (0)

static unsigned any(run *r, unsigned n) { return (unsigned)((dx_test_random(&r->random) >> 32) * n >> 32); }

static size_t content_of(uint64_t stamp, uint8_t *out)
{
    uint64_t state = stamp;
    size_t size = 8 + dx_test_random(&state) % 150;
    for (size_t i = 0; i < size; i++) out[i] = (uint8_t)dx_test_random(&state);
    memcpy(out, &stamp, sizeof stamp);
    return size;
}

static int open_on(run *r, dx_cas_store *s, int on, uint32_t mode, uint64_t *memory)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = file_device(&r->world.files[on], r->barrier);
    if (r->side && s == &r->store) desc.checkpoint = file_device(&r->world.files[INDEX], false);
    desc.mode = mode;
    desc.memory = memory;
    desc.memory_size = MEMORY;
    desc.object_size_max = 1024;
    desc.durability = r->level;
    desc.align = 8u << r->seed % 3 * 3;
    memcpy(desc.store_id, &r->stamps, sizeof r->stamps);
    desc.store_id[15] = (uint8_t)on;
    return dx_cas_open(s, &desc);
}

/* The version of an open store: every one up to it must be there, with its bytes. Or an error. learn: after a power
   cut, versions that were not durable may also hold an earlier attempt's content. */
static int look(run *r, dx_cas_store *s, bool learn, unsigned *v)
{
    uint8_t want[256], out[256];
    dx_cas_ref ref;
    size_t got;
    *v = 0;
    int error = dx_cas_ref_get(s, "name", 0, &ref);
    if (error == DX_CAS_ENOTFOUND) return DX_CAS_OK;
    if (error) return error;
    NEED(r, ref.version <= (learn ? VERSIONS + 1 : r->attempted));
    *v = (unsigned)ref.version;
    for (unsigned i = *v; i > 0; i--) {
        NEED(r, ref.version == i && ref.time_ns > r->seed << 20 && ref.time_ns <= r->stamps);
        if (learn && i > r->durable) r->chain[i - 1] = ref.time_ns;
        NEED(r, ref.time_ns == r->chain[i - 1]);
        size_t size = content_of(ref.time_ns, want);
        error = dx_cas_get(s, &ref.root, out, sizeof out, &got);
        if (error) return error;
        NEED(r, got == size && memcmp(out, want, size) == 0);
        error = dx_cas_ref_previous(s, &ref);
        if (error && error != DX_CAS_ENOTFOUND) return error;
        NEED(r, (error == DX_CAS_OK) == (i > 1));
    }
    return DX_CAS_OK;
}

static int version_of(run *r, dx_cas_store *s, unsigned *v) { return look(r, s, false, v); }

/* A reader in another process that follows the documentation, between two calls of the writer. It reopens the name at
   most once per look. */
static void reader_look(world *w)
{
    run *r = w->run;
    reader *b = &w->beside;
    dx_cas_stats stats;
    bool calm = w->calm;
    unsigned v = 0;
    int error = DX_CAS_EAGAIN;
    if (b->busy) return;
    b->busy = w->calm = true;
    b->looks++;
    if (b->on >= 0) {
        error = dx_cas_refresh(&b->store);
        dx_cas_get_stats(&b->store, &stats);
        if (error == DX_CAS_EMOVED) NEED(r, stats.retired);
        if (error == DX_CAS_EMOVED) error = DX_CAS_OK;
        if (error == DX_CAS_OK && stats.retired && b->on != w->path) error = DX_CAS_EAGAIN;
        if (error == DX_CAS_OK) error = version_of(r, &b->store, &v);
        SHOW(r, "    reader of %d: %d, version %u%s\n", b->on, error, v, stats.retired ? ", retired" : "");
    }
    if (error == DX_CAS_EAGAIN) {
        b->opens++;
        b->on = w->path;
        error = open_on(r, &b->store, b->on, DX_CAS_READ, b->memory);
        if (error == DX_CAS_OK) error = version_of(r, &b->store, &v);
        SHOW(r, "    reader opens %d: %d, version %u\n", b->on, error, v);
        NEED(r, error == DX_CAS_OK || (error == DX_CAS_ENOTFOUND && r->acked == 0));
        if (error) b->on = -1;
    }
    NEED(r, error == DX_CAS_OK || error == DX_CAS_ENOTFOUND);
    if (error == DX_CAS_OK) NEED(r, v >= r->acked);
    b->busy = false;
    w->calm = calm;
}

static void arm(run *r)
{
    world *w = &r->world;
    w->next_fault = 1 + (long)any(r, any(r, 3) ? 120 : 20);
    w->failing_syncs = any(r, 3) == 0;
    w->room = any(r, 6) ? CAPACITY : w->files[w->path].size + any(r, 1500);
    w->struck = false;
}

static bool is_strict(const run *r)
{
    return r->level == DX_CAS_FULL || r->level == DX_CAS_FULL_ONCE || (r->level == DX_CAS_BARRIER && !r->barrier);
}

/* Find out what the power cut left. From now on everybody must see the same. */
static void take_stock(run *r)
{
    unsigned v = 0;
    bool calm = r->world.calm;
    r->world.calm = true;
    int error = open_on(r, &r->store, r->world.path, DX_CAS_READ, r->memory);
    if (error == DX_CAS_OK) error = look(r, &r->store, true, &v);
    NEED(r, error == DX_CAS_OK || (error == DX_CAS_ENOTFOUND && r->durable == 0));
    NEED(r, v >= r->durable);
    r->acked = r->attempted = v;
    dx_cas_close(&r->store);
    r->world.calm = calm;
}

/* The process or the power ends. */
static void end_session(run *r)
{
    SHOW(r, "  %s; acknowledged %u, durable %u, attempted %u\n",
         r->world.cut ? "power cut" : r->world.off ? "kill" : "end", r->acked, r->durable, r->attempted);
    dx_cas_close(&r->store);
    if (r->world.cut) {
        power(&r->world);
        take_stock(r);
    }
    r->world.off = false;
}

/* A writer opens the name. False: the device failed or the process died; the session has ended. */
static bool begin_session(run *r)
{
    world *w = &r->world;
    dx_cas_stats stats;
    unsigned v;
    if (r->any_level) r->level = any(r, 4);
    if (!is_strict(r)) r->loose = true;
    r->sessions++;
    int error = folder_sync(w);
    if (error == DX_CAS_OK) error = open_on(r, &r->store, w->path, DX_CAS_WRITE | DX_CAS_CREATE, r->memory);
    SHOW(r, " session at level %u on %d: %s\n", r->level, w->path, dx_cas_error_name(error));
    if (error == DX_CAS_OK) {
        w->calm = true; /* a failing read would hide the contents */
        NEED(r, version_of(r, &r->store, &v) == DX_CAS_OK);
        w->calm = false;
        NEED(r, v >= r->acked && v <= r->attempted);
        SHOW(r, "  at version %u\n", v);
        r->acked = r->attempted = v; /* no longer in doubt, except for power cuts */
        if (r->durable > v) r->durable = v;
        dx_cas_get_stats(&r->store, &stats);
        if (!stats.retired) return true;
        error = dx_cas_commit(&r->store); /* the process that would replace it is dead */
        dx_cas_get_stats(&r->store, &stats);
        if (error == DX_CAS_OK) NEED(r, !stats.retired);
        if (error == DX_CAS_OK) r->undone++;
        if (error == DX_CAS_OK && is_strict(r)) r->durable = r->acked;
        if (error == DX_CAS_OK) return true;
    }
    NEED(r, w->struck && error != DX_CAS_ECORRUPT);
    end_session(r);
    return false;
}

static int add_version(run *r)
{
    uint8_t bytes[256];
    dx_cas_ref ref;
    dx_cas_id id;
    uint64_t stamp = ++r->stamps, version = 0;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, "name");
    size_t size = content_of(stamp, bytes);
    int error = dx_cas_put(&r->store, bytes, size, &id);
    if (error) return error;
    ref.root = ref.content = id;
    ref.time_ns = stamp;
    error = dx_cas_ref_set(&r->store, &ref, DX_CAS_ANY_VERSION, &version);
    if (error) return error;
    NEED(r, version <= VERSIONS + 1);
    r->chain[version - 1] = stamp;
    r->attempted = (unsigned)version; /* from the commit on, readers may see it */
    error = dx_cas_commit(&r->store);
    if (error) return error;
    r->acked = r->attempted;
    if (is_strict(r)) r->durable = r->acked;
    return DX_CAS_OK;
}

/* As a program collects: copy, commit, retire, empty the checkpoint durably, rename, sync the directory. */
static int collect(run *r)
{
    world *w = &r->world;
    int to = 0;
    while (to == w->path || to == w->path_stable || to == w->beside.on) to++;
    NEED(r, to < INDEX);
    file_clear(&w->files[to]);
    uint32_t level = r->level;
    r->level = DX_CAS_FULL;
    int error = open_on(r, &r->fresh, to, DX_CAS_WRITE | DX_CAS_CREATE, r->fresh_memory);
    r->level = level;
    if (error == DX_CAS_OK) error = dx_cas_compact_into(&r->store, &r->fresh);
    if (error == DX_CAS_OK) error = dx_cas_retire(&r->store);
    if (error == DX_CAS_OK && r->side) error = file_truncate(&w->files[INDEX], 0);
    if (error == DX_CAS_OK && r->side) error = file_sync(&w->files[INDEX]);
    if (error == DX_CAS_OK) error = strike(w, CALL_OTHER);
    dx_cas_close(&r->fresh);
    if (error) return error;
    w->path = to;
    error = folder_sync(w);
    if (error == DX_CAS_OK) r->durable = r->acked;
    if (error == DX_CAS_OK) r->collections++;
    if (error == DX_CAS_OK) r->any_level = false; /* it was created with two syncs */
    if (error == DX_CAS_OK) r->level = DX_CAS_FULL;
    return error;
}

static int checkpoint(run *r)
{
    int error = dx_cas_checkpoint(&r->store);
    if (error == DX_CAS_EINVAL) return DX_CAS_OK; /* nothing to retire, or uncommitted changes */
    if (error == DX_CAS_OK) r->durable = r->acked;
    return error;
}

/* After a failed commit or sync, nothing is acknowledged and everything stays readable. */
static void check_refused(run *r)
{
    unsigned v;
    if (r->world.off || !r->store.failed_) return;
    NEED(r, dx_cas_put(&r->store, "more", 4, NULL) == DX_CAS_EFAILED);
    NEED(r, dx_cas_commit(&r->store) == DX_CAS_EFAILED);
    NEED(r, dx_cas_ref_delete(&r->store, "name", DX_CAS_ANY_VERSION) == DX_CAS_EFAILED);
    r->world.calm = true;
    NEED(r, version_of(r, &r->store, &v) == DX_CAS_OK);
    r->world.calm = false;
    r->refused++;
}

static void session(run *r)
{
    unsigned steps = 1 + any(r, 10);
    arm(r);
    if (!begin_session(r)) return;
    while (steps-- > 0) {
        unsigned what = any(r, 12);
        bool moved = false;
        int error = DX_CAS_OK;
        if (what < 6 && r->attempted < VERSIONS) error = add_version(r);
        else if (what == 6) error = dx_cas_put(&r->store, &steps, sizeof steps, NULL);
        else if (what == 7) error = checkpoint(r);
        else if (what == 8) error = dx_cas_commit(&r->store);
        else if (what == 9) moved = true, error = collect(r);
        if (what == 8 && error == DX_CAS_OK && is_strict(r)) r->durable = r->acked;
        SHOW(r, "  step %u: %d\n", what, error);
        if (error) {
            NEED(r, r->world.struck);
            NEED(r, error != DX_CAS_ECORRUPT && error != DX_CAS_ENOTFOUND);
            check_refused(r);
        }
        if (error || moved || r->world.off) break;
    }
    if (!r->world.off && any(r, 2) == 0) r->world.off = r->world.cut = true;
    end_session(r);
}

/* Unsynced commits: one copy of a commit may be torn. Nothing is lost, and the callback reports it. */
static int tell(void *user, const dx_cas_damage *damage)
{
    run *r = (run *)user;
    bool harmless = damage->kind == DX_CAS_DAMAGE_COMMIT || damage->kind == DX_CAS_DAMAGE_PADDING ||
                    damage->kind == DX_CAS_DAMAGE_HEADER || damage->kind == DX_CAS_DAMAGE_INDEX;
    SHOW(r, "  damage %u at %llu\n", damage->kind, (unsigned long long)damage->offset);
    if (!harmless) r->damaged = true;
    return 0;
}

static void run_start(run *r, uint64_t seed)
{
    world *w = &r->world;
    uint64_t counts[4] = {w->faults, w->lost_syncs, w->cuts, w->kills};
    for (int i = 0; i < FILES; i++) {
        file_clear(&w->files[i]);
        w->files[i].world = w;
    }
    r->seed = seed;
    r->random = seed;
    w->random = seed ^ 0x5555;
    w->run = r;
    w->path = w->path_stable = 0;
    w->sector = 16u << any(r, 6);
    w->barriers = 0;
    w->cleans = any(r, 8) != 0;
    w->off = w->cut = w->calm = false;
    w->beside.on = -1;
    w->beside.busy = false;
    w->faults = counts[0];
    w->lost_syncs = counts[1];
    w->cuts = counts[2];
    w->kills = counts[3];
    r->stamps = seed << 20;
    r->seen = r->acked = r->durable = r->attempted = 0;
    r->level = any(r, 4);
    r->any_level = r->level != DX_CAS_FULL && any(r, 4) != 0;
    r->barrier = any(r, 2) != 0;
    r->side = any(r, 2) != 0;
    r->loose = r->damaged = false;
    SHOW(r, "run %llu: sector %u, level %u%s%s%s%s\n", (unsigned long long)seed, w->sector, r->level,
         r->any_level ? " and others" : "", r->barrier ? ", barriers" : "", r->side ? ", checkpoint" : "",
         w->cleans ? ", lossy" : "");
}

static bool one_run(run *r, uint64_t seed)
{
    unsigned sessions, v;
    if (setjmp(r->failed)) return false;
    run_start(r, seed);
    for (sessions = 2 + any(r, 6); sessions > 0; sessions--) session(r);
    /* The last power cut; then everything guaranteed is there, and the store is sound. */
    r->world.calm = true;
    r->world.off = r->world.cut = true;
    r->world.room = CAPACITY;
    end_session(r);
    r->level = DX_CAS_FULL;
    r->any_level = false;
again:
    NEED(r, open_on(r, &r->store, r->world.path, DX_CAS_WRITE | DX_CAS_CREATE, r->memory) == DX_CAS_OK);
    NEED(r, version_of(r, &r->store, &v) == DX_CAS_OK);
    NEED(r, v >= r->durable && v <= r->attempted);
    int error = dx_cas_verify(&r->store, tell, r, NULL);
    NEED(r, (error == DX_CAS_OK || error == DX_CAS_ECORRUPT) && !r->damaged);
    r->checks++;
    if (r->seen == 0) { /* and a writer continues normally */
        r->seen = 1;
        r->attempted = v;
        bool full = v >= VERSIONS || r->world.files[r->world.path].size > CAPACITY - 4096;
        NEED(r, full || add_version(r) == DX_CAS_OK);
        r->world.off = r->world.cut = true;
        end_session(r);
        goto again;
    }
    dx_cas_close(&r->store);
    return true;
}

DX_TEST(w_76_syncs_that_lose_pages_kills_cuts_and_readers)
{
    const char *runs_text = getenv("DX_FAULT_RUNS"), *seed_text = getenv("DX_FAULT_SEED"), *show = getenv("DX_FAULT_SHOW");
    uint64_t runs = runs_text ? strtoull(runs_text, NULL, 0) : RUNS, first = seed_text ? strtoull(seed_text, NULL, 0) : 1;
    uint64_t failed = 0, i;
    run *r = (run *)calloc(1, sizeof *r);
    r->shown = show != NULL;
    if (show) first = strtoull(show, NULL, 0);
    if (show) runs = 1;
    for (i = 0; i < runs && failed < 5; i++) failed += !one_run(r, first + i);
    printf("     %llu runs: %llu sessions, %llu faults, %llu lost syncs, %llu kills, %llu power cuts; %llu collections, "
           "%llu undone; %llu looks of readers, %llu opens; %llu refused to write\n",
           (unsigned long long)i, (unsigned long long)r->sessions, (unsigned long long)r->world.faults,
           (unsigned long long)r->world.lost_syncs, (unsigned long long)r->world.kills, (unsigned long long)r->world.cuts,
           (unsigned long long)r->collections, (unsigned long long)r->undone, (unsigned long long)r->world.beside.looks,
           (unsigned long long)r->world.beside.opens, (unsigned long long)r->refused);
    DX_CHECK_EQ(failed, 0);
    DX_CHECK(show || runs < 1000 || (r->undone > 0 && r->collections > 0 && r->refused > 0));
    free(r);
}

/* >>adversary: ids and names chosen to collide in the index -------------------------------------------------- */
enum { CHOSEN = 6000, PART = 16, ROOM = 2 << 20 };

typedef struct kit {
    dx_cas_store  store;
    dx_devices_memory log, side;
    dx_cas_desc   desc;
} kit;

static void kit_open(kit *k, uint32_t mode)
{
    k->desc.mode = mode;
    OK(dx_cas_open(&k->store, &k->desc));
}

static void kit_begin(kit *k, uint8_t first_of_id, size_t objects)
{
    memset(k, 0, sizeof *k);
    k->log.data = calloc(1, ROOM);
    k->side.data = calloc(1, ROOM);
    k->log.capacity = k->side.capacity = ROOM;
    k->desc.device = dx_devices_memory_device(&k->log);
    k->desc.checkpoint = dx_devices_memory_device(&k->side);
    k->desc.objects_max = objects;
    k->desc.object_size_max = 1024;
    k->desc.memory_size = dx_cas_memory_size(&k->desc);
    k->desc.memory = malloc(k->desc.memory_size);
    k->desc.store_id[0] = first_of_id;
    kit_open(k, DX_CAS_WRITE | DX_CAS_CREATE);
}

static void kit_end(kit *k)
{
    dx_cas_close(&k->store);
    free(k->log.data);
    free(k->side.data);
    free(k->desc.memory);
}

/* The longest run of occupied slots: the worst case of a look-up. */
static size_t longest_row(const dx_cas_store *s)
{
    size_t row = 0, longest = 0;
    for (size_t i = 0; i < 2 * s->slot_count_; i++) {
        row = s->slots_[i % s->slot_count_].place ? row + 1 : 0;
        if (longest < row) longest = row;
    }
    return longest;
}

/* Contents of 8 bytes. An attacker who knows the key tries until their slots are in one part of the index; without the
   key, only ids with equal beginnings can be chosen, which once was enough. */
static void choose_contents(const dx_cas_store *s, bool knows_key, uint64_t *chosen)
{
    uint64_t content = 0;
    for (size_t n = 0; n < CHOSEN; content++) {
        dx_cas_id id;
        dx_cas_hash(&content, sizeof content, &id);
        if (knows_key ? dx_cas_p_home(s, dx_cas_p_load64(id.bytes)) < s->slot_count_ / PART : id.bytes[7] < 256 / PART)
            chosen[n++] = content;
    }
}

static void check_contents(kit *k, const uint64_t *chosen)
{
    for (size_t i = 0; i < CHOSEN; i++) {
        dx_cas_id id;
        uint64_t out = 0;
        size_t got = 0;
        dx_cas_hash(&chosen[i], sizeof chosen[i], &id);
        OK(dx_cas_get(&k->store, &id, &out, sizeof out, &got));
        DX_CHECK(got == sizeof out && out == chosen[i]);
    }
}

/* Put them, reopen as a writer and as a reader, with and without a checkpoint: nothing is refused or damaged. */
static void use_contents(kit *k, const uint64_t *chosen, bool rekeys)
{
    uint64_t first_key = k->store.key_[0];
    for (size_t i = 0; i < CHOSEN; i++) {
        OK(dx_cas_put(&k->store, &chosen[i], sizeof chosen[i], NULL));
        if (i % 1000 == 999) OK(dx_cas_commit(&k->store));
        if (i % 500 == 499) DX_CHECK(longest_row(&k->store) < (rekeys ? DX_CAS_P_STEPS_MAX + 1000 : 1000)); /* soon, not in hours */
    }
    DX_CHECK_EQ(k->store.key_[0] != first_key, rekeys);
    DX_CHECK(longest_row(&k->store) < 1000);
    check_contents(k, chosen);
    for (unsigned round = 0; round < 4; round++) {
        dx_cas_close(&k->store);
        kit_open(k, round % 2 ? DX_CAS_WRITE : DX_CAS_READ);
        DX_CHECK_EQ(k->store.entry_count_, CHOSEN);
        DX_CHECK(longest_row(&k->store) < DX_CAS_P_STEPS_MAX + 1000);
        check_contents(k, chosen);
        if (round == 1) OK(dx_cas_checkpoint(&k->store));
    }
    OK(dx_cas_verify(&k->store, NULL, NULL, NULL));
}

DX_TEST(w_75_contents_that_were_made_to_meet_are_stored_and_found)
{
    static uint64_t chosen[CHOSEN];
    kit k;
    for (unsigned who = 0; who < 3; who++) { /* knows no key; this store's; another store's */
        kit_begin(&k, 1, 20000);
        if (who == 2) kit_end(&k);
        if (who == 2) kit_begin(&k, 2, 20000);
        if (who < 2) choose_contents(&k.store, who == 1, chosen);
        use_contents(&k, chosen, who == 1);
        kit_end(&k);
    }
}

DX_TEST(w_75_names_that_were_made_to_meet_are_set_and_found)
{
    kit k;
    dx_cas_ref ref, got;
    dx_cas_id id;
    unsigned tried = 0, n;
    kit_begin(&k, 1, 20000);
    const uint64_t key[2] = {k.store.key_[0], k.store.key_[1]};
    static unsigned chosen[5000];
    OK(dx_cas_put(&k.store, "x", 1, &id));
    for (n = 0; n < 5000; tried++) {
        memset(&ref, 0, sizeof ref);
        snprintf(ref.name, sizeof ref.name, "%u", tried);
        uint64_t home = dx_cas_p_sip(key, dx_cas_p_name_fingerprint(ref.name)) >> 32;
        if (home >= (uint64_t)1 << 32 >> 4) continue;
        ref.root = ref.content = id;
        OK(dx_cas_ref_set(&k.store, &ref, 0, NULL));
        chosen[n++] = tried;
    }
    OK(dx_cas_commit(&k.store));
    DX_CHECK(k.store.key_[0] != key[0]);
    for (unsigned round = 0; round < 2; round++) {
        for (n = 0; n < 5000; n++) {
            snprintf(ref.name, sizeof ref.name, "%u", chosen[n]);
            OK(dx_cas_ref_get(&k.store, ref.name, 0, &got));
        }
        dx_cas_close(&k.store);
        kit_open(&k, DX_CAS_WRITE);
    }
    kit_end(&k);
}

/* Rebuilding the index with another key keeps every entry, at every fill and size. */
DX_PROPERTY(w_75_another_key_keeps_every_entry, 300)
{
    dx_cas_entry_ slots[400];
    dx_cas_store s;
    memset(&s, 0, sizeof s);
    memset(slots, 0, sizeof slots);
    s.slots_ = slots;
    s.slot_count_ = 18 + (size_t)dx_choose(c, 380);
    s.key_[0] = dx_choose(c, UINT64_MAX);
    size_t count = (size_t)dx_choose(c, dx_cas_p_entries_max(&s) - 1);
    for (size_t i = 0; i < count; i++) dx_cas_p_insert(&s, i / 3, i + 1);
    for (unsigned times = (unsigned)dx_choose(c, 3); times > 0; times--) dx_cas_p_rekey(&s);
    DX_CHECK_EQ(s.entry_count_, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = dx_cas_p_home(&s, i / 3), steps = 0;
        while (dx_cas_p_probe(&s, i / 3, 0, &at, &steps) && slots[at].place != i + 1) at = dx_cas_p_next_slot(&s, at);
        DX_CHECK_EQ(slots[at].place, i + 1);
    }
}

/* Names decide where a directory is split. An attacker may choose names that split after every one, or never: that
   loses sharing, but nothing fails. */
DX_TEST(tr_names_that_were_chosen_divide_a_directory_within_its_limits)
{
    static uint8_t bytes[DX_TREE_PIECE_SIZE_MAX];
    for (unsigned ends = 0; ends < 2; ends++) {
        dx_tree_piece piece;
        unsigned n = 0, pieces = 0;
        dx_tree_piece_begin(&piece, bytes, sizeof bytes);
        for (unsigned tried = 0; n < 5000; tried++) {
            char name[32];
            dx_tree_entry e;
            int size = snprintf(name, sizeof name, "%010u", tried);
            if (dx_tree_p_ends((const uint8_t *)name, (size_t)size) != (ends != 0)) continue;
            memset(&e, 0, sizeof e);
            e.type = DX_TREE_FILE;
            e.level = DX_TREE_INLINE;
            e.name = name;
            e.name_size = (uint16_t)size;
            int got = dx_tree_piece_add(&piece, &e);
            if (got == DX_TREE_ENOSPACE) {
                DX_CHECK(!ends && piece.size > DX_TREE_PIECE_SIZE_MAX - DX_TREE_ENTRY_MAX);
                dx_tree_piece_reset(&piece);
                pieces++;
                got = dx_tree_piece_add(&piece, &e);
            }
            DX_CHECK(got >= 0);
            DX_CHECK(!got || piece.count >= 4);
            pieces += got == 1;
            if (got == 1) dx_tree_piece_reset(&piece);
            n++;
        }
        DX_CHECK_EQ(pieces, ends ? 5000 / 4 : 5000 / (DX_TREE_PIECE_SIZE_MAX / 34));
    }
}

/* >>processes: dxup gc, killed at every system call that changes something ----------------------------------- */
#if defined(__linux__) && defined(__x86_64__)
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[64];

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static pid_t start(const char *const *argv, bool traced)
{
    pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(99);
    if (traced) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execv("build/dxup", (char *const *)(uintptr_t)argv);
    _exit(98);
}

/* Run a command to completion, within 20 seconds. */
static int dxup(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    const char *const argv[] = {"dxup", a, b, c, d, e, NULL};
    double until = seconds() + 20;
    pid_t child = start(argv, false), got;
    int status = 0;
    while ((got = waitpid(child, &status, WNOHANG)) == 0 && seconds() < until) usleep(500);
    if (got == 0) kill(child, SIGKILL);
    if (got == 0) waitpid(child, &status, 0);
    return got == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool changes_something(long call)
{
    return call == SYS_pwrite64 || call == SYS_ftruncate || call == SYS_fdatasync || call == SYS_fsync ||
           call == SYS_rename || call == SYS_renameat || call == SYS_renameat2 || call == SYS_unlink;
}

/* Kill it just before that call (counted from 1). False: it made fewer calls and succeeded. -1: no tracing here. */
static int gc_killed_at(const char *store, long at)
{
    const char *const argv[] = {"dxup", "gc", store, "--keep", "2", "--quiet", NULL};
    pid_t child = start(argv, true);
    int status = 0;
    long calls = 0;
    bool entered = false;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return -1;
    while (ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child) {
        if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? 0 : -1;
        if (WIFSIGNALED(status)) return -1;
        long call = ptrace(PTRACE_PEEKUSER, child, (void *)(uintptr_t)(8 * 15), NULL); /* orig_rax */
        entered = !entered;
        if (!entered || !changes_something(call) || ++calls < at) continue;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return 1;
    }
    return -1;
}

static void write_file(const char *path, unsigned version)
{
    FILE *f = fopen(path, "w");
    DX_CHECK(f != NULL);
    for (unsigned i = 0; i < 3000; i++) fprintf(f, "%u of version %u\n", i, i % 100 ? 0 : version);
    fclose(f);
}

static bool same_files(const char *a, const char *b)
{
    size_t a_size = 0, b_size = 0;
    char *x = (char *)dx_test_file(a, &a_size), *y = (char *)dx_test_file(b, &b_size);
    bool same = x && y && a_size == b_size && memcmp(x, y, a_size) == 0;
    free(x);
    free(y);
    return same;
}

DX_TEST(w_76_dxup_gc_killed_at_every_call_with_a_server_and_readers)
{
    char store[80], in[80], out[80], address[40];
    long at;
    int killed = 1;
    unsigned version = 0;
    if (access("build/dxup", X_OK) != 0) DX_SKIP("build/dxup is not there");
    snprintf(folder, sizeof folder, "/tmp/dx_faults_%d", (int)getpid());
    DX_CHECK_EQ(mkdir(folder, 0700), 0);
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(address, sizeof address, "127.0.0.1:%d", 20000 + (int)(getpid() % 20000));
    write_file(in, ++version);
    DX_CHECK_EQ(dxup("publish", store, "file", in, NULL), 0);
    const char *const serve[] = {"dxup", "serve", store, "--listen", address, NULL};
    pid_t server = start(serve, false);
    for (double until = seconds() + 20; dxup("pull", address, "file", out, NULL) != 0;) DX_CHECK(seconds() < until);
    for (at = 1; killed == 1; at++) {
        killed = gc_killed_at(store, at);
        if (killed < 0 && at == 1) {
            kill(server, SIGKILL);
            waitpid(server, NULL, 0);
            DX_SKIP("processes cannot be traced here");
        }
        DX_CHECK(killed >= 0);
        DX_CHECK_EQ(dxup("pull", address, "file", out, NULL), 0); /* the server continues with either log */
        DX_CHECK(same_files(in, out));
        DX_CHECK_EQ(dxup("verify", store, "--quiet", NULL, NULL), 0);
        write_file(in, ++version);
        DX_CHECK_EQ(dxup("publish", store, "file", in, "--quiet"), 0); /* so does the next writer */
        DX_CHECK_EQ(dxup("pull", address, "file", out, NULL), 0);      /* and the server sees the new version */
        DX_CHECK(same_files(in, out));
        snprintf(out + strlen(folder), 20, "/store/objects.new");
        DX_CHECK(access(out, F_OK) != 0); /* no staging file is left */
        snprintf(out + strlen(folder), 20, "/out");
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    printf("     %ld kills\n", at - 2);
    DX_CHECK(at > 10);
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    DX_CHECK_EQ(system(command), 0);
}
#endif
