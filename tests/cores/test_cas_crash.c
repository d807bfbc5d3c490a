#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
/* Crash tests of dx_cas.h: seeded scripts on a simulated disk with power cuts, failing calls, no space, and sectors that are lost,
   torn, reordered, stale or damaged. After each fault the store must be a committed prefix of its history.
   cc -std=c11 -O2 tests/cores/test_cas_crash.c -o build/test_cas_crash

   DX_CRASH_RUNS=n       number of runs of each kind      DX_CRASH_SEED=n  the first seed
   DX_CRASH_SHOW=n       trace run n, step by step */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../dx_cas_sim.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The number of runs in a whole CI run: a million where that takes seconds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RUNS = 20000 };
#elif defined(__x86_64__)
enum { RUNS = 1000000 };
#elif defined(__i386__)
enum { RUNS = 100000 };
#else
enum { RUNS = 3000 }; /* emulated */
#endif

/* >>model --------------------------------------------------------------- */
enum { OBJECTS = 128, NAMES = 3, VERSIONS = 48, STATES = 64 };
static const char *const names[NAMES] = {"x", "y/z", "\xe2\x82\xac"};

typedef struct state { /* the content of one commit */
    uint64_t objects[OBJECTS / 64];
    struct { bool exists; unsigned version, oldest; uint8_t roots[VERSIONS]; } name[NAMES];
} state;

typedef struct run {
    sim_disk      disk, side;  /* side: the checkpoint's disk */
    uint8_t       old_side[SIM_CAPACITY]; /* an earlier state, of this run or the one before */
    size_t        old_side_size;
    uint64_t      checkpoints;
    dx_cas_store  store;
    state         states[STATES], now;  /* states[k]: after commit k; now: with uncommitted changes */
    unsigned      commits, durable, attempted, objects, level, preallocate;
    bool          barrier, created, levels, open, damaged, loose, struck, shown;
    int           kind; /* of this run's only fault, at call `at` */
    long          at;
    uint64_t      seed, random, faults, opens, checks;
    dx_cas_id     ids[OBJECTS];
    const char   *what;
    jmp_buf       failed;
    dx_cas_delta  delta;
    dx_cas_codec  codec;
    dx_devices_buffer gather;              /* between the store and the disk, in a third of the runs */
    uint8_t       gathered[3000];
    uint64_t      deltas, memory[6000], delta_memory[600];
} run;

#define NEED(r, condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (r)->what = #condition;                                                                \
            fprintf(stderr, "run %llu, line %d: %s\n", (unsigned long long)(r)->seed, __LINE__, #condition); \
            longjmp((r)->failed, 1);                                                               \
        }                                                                                          \
    } while (0)
#define SHOW(r, ...)                                                                               \
    do {                                                                                           \
        if ((r)->shown) printf(__VA_ARGS__);                                                       \
    } while (0)

static unsigned any(run *r, unsigned n) { return (unsigned)((dx_test_random(&r->random) >> 32) * n >> 32); }

/* Content of object n: it begins with n, so that all differ. Every third resembles the one before. */
static size_t object_of(const run *r, unsigned n, uint8_t *out)
{
    uint64_t seed = r->seed * 1000 + n - (n % 3 == 2);
    size_t size = 8 + (dx_test_random(&seed) % 4 ? dx_test_random(&seed) % 120 : dx_test_random(&seed) % 1000);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t v = i ? dx_test_random(&seed) : seed;
        memcpy(out + i, &v, 8);
    }
    memcpy(out, &n, sizeof n);
    return size;
}

static bool has(const state *s, unsigned n) { return s->objects[n / 64] >> n % 64 & 1; }

/* A delta: the first four bytes; the rest comes from the base. */
static int encode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    (void)user;
    if (n != base_size || n < 4 || capacity < 4) return DX_CAS_ENOSPACE;
    if (memcmp((const uint8_t *)base + 4, (const uint8_t *)in + 4, n - 4) != 0) return DX_CAS_ENOSPACE;
    memcpy(out, in, *got = 4);
    return DX_CAS_OK;
}

static int decode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    (void)user;
    if (n != 4 || capacity != base_size) return DX_CAS_ECORRUPT;
    memcpy(out, base, base_size);
    memcpy(out, in, 4);
    *got = base_size;
    return DX_CAS_OK;
}

static int open_store(run *r, uint32_t mode)
{
    dx_cas_desc desc;
    dx_cas_device device = sim_disk_device(&r->disk, r->barrier);
    int error;
    memset(&desc, 0, sizeof desc);
    desc.device = device;
    if (r->seed % 4) {
        desc.checkpoint = device;
        desc.checkpoint.user = &r->side;
    }
    if (r->seed % 3 == 0) { /* the ended process loses its buffer; a reader finds it empty */
        dx_devices_buffer gather = {device, r->gathered, 100u << r->seed / 3 % 5, 0, 0};
        if (r->seed % 7 == 0) gather.capacity = sizeof r->gathered;
        r->gather = gather;
        desc.device = dx_devices_buffer_device(&r->gather);
    }
    desc.mode = mode;
    desc.memory = r->memory;
    desc.objects_max = 160;
    desc.object_size_max = 1200;
    static const dx_cas_delta_coder coder = {200, encode, decode, NULL};
    dx_cas_delta_desc how;
    memset(&how, 0, sizeof how);
    how.store = &r->store;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = r->delta_memory;
    how.memory_size = sizeof r->delta_memory;
    how.object_size_max = 1200;
    NEED(r, dx_cas_delta_init(&r->delta, &how) == DX_CAS_OK);
    r->codec = dx_cas_delta_codec(&r->delta);
    desc.codecs = &r->codec;
    desc.codec_count = 1;
    desc.durability = r->level;
    desc.preallocate = r->preallocate;
    desc.align = 8u << (r->seed % 3 * 3);
    desc.memory_size = dx_cas_memory_size(&desc); /* no larger: clearing it takes a third of the time */
    NEED(r, desc.memory_size <= sizeof r->memory);
    error = dx_cas_open(&r->store, &desc);
    r->opens++;
    NEED(r, error != DX_CAS_ENOMEM);
    return error;
}

/* Check that the open store holds exactly this state. */
static void check_state(run *r, const state *s)
{
    uint8_t bytes[1200], out[1200];
    dx_cas_ref ref;
    size_t size, got;
    int error;
    for (unsigned n = 0; n < r->objects; n++) {
        if (!has(s, n)) {
            NEED(r, dx_cas_has(&r->store, &r->ids[n]) == DX_CAS_ENOTFOUND);
            continue;
        }
        size = object_of(r, n, bytes);
        error = dx_cas_get(&r->store, &r->ids[n], out, sizeof out, &got);
        if (error) SHOW(r, "  object %u: %s\n", n, dx_cas_error_name(error));
        NEED(r, error == DX_CAS_OK);
        NEED(r, got == size && memcmp(out, bytes, size) == 0);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned v = s->name[i].version;
        error = dx_cas_ref_get(&r->store, names[i], 0, &ref);
        NEED(r, error == (s->name[i].exists ? DX_CAS_OK : DX_CAS_ENOTFOUND));
        for (; s->name[i].exists && v >= s->name[i].oldest; v--) {
            NEED(r, error == DX_CAS_OK && ref.version == v && ref.oldest == s->name[i].oldest);
            NEED(r, dx_cas_id_equal(&ref.root, &r->ids[s->name[i].roots[v]]));
            error = dx_cas_ref_previous(&r->store, &ref);
        }
        NEED(r, error == DX_CAS_ENOTFOUND);
    }
}

/* The disk must hold a state from `least` to r->attempted, for a reader and a writer alike. Returns false if a fault strikes
   during an open. */
static bool reopen(run *r, unsigned least)
{
    dx_cas_stats stats;
    unsigned k = 0, most = r->attempted;
    int error;
    dx_cas_close(&r->store);
    r->open = false;
    if (any(r, 3) == 0) {
        size_t size = r->disk.size;
        error = open_store(r, DX_CAS_READ);
        if (r->disk.off || (error == DX_CAS_ESYS && r->disk.failed)) return false; /* off: in the checkpoint, which is optional */
        NEED(r, error == DX_CAS_OK || (error == DX_CAS_ENOTFOUND && least == 0));
        if (error == DX_CAS_OK) {
            long was = r->disk.fail;
            dx_cas_get_stats(&r->store, &stats);
            k = (unsigned)stats.commits;
            SHOW(r, "  reader: commit %u of %u..%u\n", k, least, r->attempted);
            NEED(r, k >= least && k <= r->attempted);
            r->disk.fail = SIM_FAIL_NEVER;
            check_state(r, &r->states[k]);
            r->disk.fail = (int)was;
        }
        NEED(r, r->disk.size == size);
        dx_cas_close(&r->store);
        most = least = error == DX_CAS_OK ? k : 0; /* the writer must see the same */
    }
    if (r->levels) r->level = any(r, 4);
    error = open_store(r, DX_CAS_WRITE | DX_CAS_CREATE);
    if (r->disk.off || (error == DX_CAS_ESYS && r->disk.failed)) return false;
    if (error == DX_CAS_ENOSPACE && r->disk.failed) return false;
    SHOW(r, "  open: %s, %zu bytes, ops %ld\n", dx_cas_error_name(error), r->disk.size, r->disk.calls);
    NEED(r, error == DX_CAS_OK);
    dx_cas_get_stats(&r->store, &stats);
    k = (unsigned)stats.commits;
    if (r->level == DX_CAS_NONE || (r->level == DX_CAS_BARRIER && r->barrier)) r->loose = true;
    SHOW(r, "  open: commit %u of %u..%u, level %u\n", k, least, most, r->level);
    NEED(r, k >= least && k <= most);
    if (r->attempted > k && r->loose) sim_settle(&r->disk); /* else the next power cut may revive a failed commit */
    r->now = r->states[k];
    r->commits = r->attempted = k;
    if (r->durable > k) r->durable = k;
    r->open = true;
    return true;
}

static void arm(run *r)
{
    sim_disk *d = &r->disk;
    d->calls = 0;
    d->failed = false;
    if (r->kind != SIM_FAIL_NEVER) { /* one fault, at this call */
        d->fail_at = r->at;
        d->fail = r->at ? r->kind : SIM_FAIL_NEVER;
        r->at = 0;
        return;
    }
    d->fail_at = 1 + (long)any(r, any(r, 4) ? 60 : 6);
    d->fail = (int)any(r, 8);
    d->fail = d->fail < 5 ? SIM_FAIL_CUT : d->fail == 5 ? SIM_FAIL_ONCE : d->fail == 6 ? SIM_FAIL_FROM_THEN_ON : SIM_FAIL_NEVER;
    d->limit = any(r, 8) ? SIM_CAPACITY : d->size + any(r, 3000);
    r->side.limit = any(r, 8) ? SIM_CAPACITY : r->side.size + any(r, 500);
    SHOW(r, "  fault %d at call %ld, limit %zu\n", d->fail, d->fail_at, d->limit);
}

/* After a fault: a power cut, or the process dies and another one continues. */
static void crash(run *r)
{
    r->faults++;
    for (unsigned tries = 0;; tries++) {
        bool cut = r->disk.off || r->disk.fail == SIM_FAIL_FROM_THEN_ON || any(r, 2);
        SHOW(r, "  %s: %u commits, %u durable, %u attempted\n", cut ? "power cut" : "kill", r->commits, r->durable, r->attempted);
        if (cut) {
            sim_disk_power(&r->disk);
            sim_disk_power(&r->side);
        }
        if (cut) r->commits = r->durable; /* what is still guaranteed */
        if (tries < 3) {
            arm(r);
        } else {
            r->disk.fail = SIM_FAIL_NEVER;
            r->disk.limit = r->side.limit = SIM_CAPACITY;
        }
        if (reopen(r, r->commits)) break;
        r->faults++;
        if (!r->disk.off && r->disk.fail != SIM_FAIL_FROM_THEN_ON && r->disk.fail != SIM_FAIL_ONCE) r->disk.limit = SIM_CAPACITY;
    }
    r->disk.fail_at += r->disk.calls;
    r->struck = true;
}

static int change_name(run *r, unsigned i)
{
    dx_cas_ref ref;
    uint64_t version = 0;
    unsigned n, k, v = r->now.name[i].version;
    int error;
    if (r->now.name[i].exists && any(r, 4) == 0) {
        error = dx_cas_ref_delete(&r->store, names[i], v);
        if (error == DX_CAS_OK) r->now.name[i].exists = false;
        return error;
    }
    if (r->now.name[i].exists && any(r, 4) == 0) {
        unsigned oldest = r->now.name[i].oldest + any(r, v - r->now.name[i].oldest + 1);
        error = dx_cas_ref_trim(&r->store, names[i], oldest);
        if (error == DX_CAS_OK) r->now.name[i].oldest = oldest;
        return error;
    }
    if (r->objects == 0 || v + 1 >= VERSIONS) return DX_CAS_OK;
    n = any(r, r->objects);
    for (k = 0; k < r->objects && !has(&r->now, n); k++) n = (n + 1) % r->objects;
    if (!has(&r->now, n)) return DX_CAS_OK;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, names[i]);
    ref.root = ref.content = r->ids[n];
    error = dx_cas_ref_set(&r->store, &ref, r->now.name[i].exists ? v : 0, &version);
    if (error != DX_CAS_OK) return error;
    NEED(r, version == v + 1);
    r->now.name[i].version = v + 1;
    r->now.name[i].roots[v + 1] = (uint8_t)n;
    if (!r->now.name[i].exists) r->now.name[i].oldest = v + 1;
    r->now.name[i].exists = true;
    return DX_CAS_OK;
}

static int put_object(run *r)
{
    uint8_t bytes[1200];
    unsigned n = r->objects;
    int error;
    if (n == OBJECTS || (n && any(r, 8) == 0)) n = any(r, r->objects); /* again: perhaps one that a power cut took */
    size_t size = object_of(r, n, bytes);
    if (n == r->objects) {
        dx_cas_hash(bytes, size, &r->ids[n]);
        r->objects++;
    }
    if (n % 3 == 2 && any(r, 4)) { /* if the base is missing, it is stored without delta */
        error = dx_cas_delta_put(&r->delta, bytes, size, &r->ids[n - 1], 0, NULL);
        r->deltas++;
    } else {
        error = dx_cas_put(&r->store, bytes, size, NULL);
    }
    if (error == DX_CAS_OK) r->now.objects[n / 64] |= (uint64_t)1 << n % 64;
    return error;
}

static int commit(run *r)
{
    int error;
    if (r->commits + 1 >= STATES) return DX_CAS_OK;
    bool changed = memcmp(&r->now, &r->states[r->commits], sizeof r->now) != 0;
    dx_cas_stats stats;
    r->states[r->commits + 1] = r->now;
    r->attempted = r->commits + 1;
    error = dx_cas_commit(&r->store);
    if (error == DX_CAS_OK && r->level == DX_CAS_NONE && r->seed % 3 == 0) error = dx_devices_buffer_flush(&r->gather);
    if (error != DX_CAS_OK) return error;
    dx_cas_get_stats(&r->store, &stats); /* without changes there is no commit; changes that cancel out may make one */
    NEED(r, stats.commits == r->commits || stats.commits == r->commits + 1);
    NEED(r, stats.commits == r->commits + 1 || !changed);
    r->commits = r->attempted = (unsigned)stats.commits;
    if (r->level != DX_CAS_NONE && !(r->level == DX_CAS_BARRIER && r->barrier)) r->durable = r->commits;
    return DX_CAS_OK;
}

/* A checkpoint changes no committed state and makes it durable. An error here is harmless. */
static int checkpoint(run *r)
{
    int error;
    if (any(r, 4) == 0) {
        r->old_side_size = r->side.size;
        memcpy(r->old_side, r->side.now, SIM_CAPACITY);
    }
    error = dx_cas_checkpoint(&r->store);
    if (error == DX_CAS_EINVAL) return DX_CAS_OK; /* uncommitted changes, or no device */
    if (error == DX_CAS_OK) r->durable = r->commits;
    if (error == DX_CAS_OK) r->checkpoints++;
    if (error != DX_CAS_OK) NEED(r, r->disk.failed);
    return r->disk.off ? error : DX_CAS_OK;
}

/* Unsynced commits: one copy of a commit or of the header may be torn, and padding. Nothing is lost, and the callback reports
   it. */
static int tell(void *user, const dx_cas_damage *damage)
{
    run *r = (run *)user;
    bool harmless = damage->kind == DX_CAS_DAMAGE_COMMIT || damage->kind == DX_CAS_DAMAGE_PADDING ||
                    damage->kind == DX_CAS_DAMAGE_HEADER;
    if (!harmless || !r->loose) r->damaged = true;
    SHOW(r, "  damage %u at %llu, %llu bytes\n", damage->kind, (unsigned long long)damage->offset,
         (unsigned long long)damage->size);
    return 0;
}

static void script(run *r)
{
    unsigned steps = 4 + any(r, 20);
    int error;
    arm(r);
    if (!reopen(r, 0)) crash(r);
    while (steps-- > 0) {
        unsigned what = any(r, 16);
        error = what < 6 ? put_object(r) : what < 9 ? change_name(r, any(r, NAMES)) : what < 13 ? commit(r) : what == 13 ? checkpoint(r) : DX_CAS_OK;
        SHOW(r, "  step %u: %d\n", what, error);
        if (what == 15 && r->kind != SIM_FAIL_NEVER) continue;
        if (what == 15) r->disk.off = any(r, 2); /* the process ends, or the power fails */
        if (error == DX_CAS_OK && what < 15) continue;
        NEED(r, error == DX_CAS_OK || r->disk.failed);
        /* nothing has changed: continue once there is room */
        if (error == DX_CAS_ENOSPACE && what < 9 && !r->disk.off && r->disk.calls < r->disk.fail_at && any(r, 2)) {
            r->disk.limit = SIM_CAPACITY;
            continue;
        }
        crash(r);
    }
    r->struck |= r->disk.failed;
    r->disk.fail = SIM_FAIL_NEVER;
    r->disk.limit = r->side.limit = SIM_CAPACITY;
    check_state(r, &r->now);
    sim_disk_power(&r->disk);
    sim_disk_power(&r->side);
    if (!reopen(r, r->durable)) NEED(r, !"opens");
    check_state(r, &r->now);
    error = dx_cas_verify(&r->store, tell, r, NULL);
    NEED(r, (error == DX_CAS_OK || error == DX_CAS_ECORRUPT) && !r->damaged);
    r->checks++;
}

/* Damage synced sectors, or revert them. Every open returns right bytes, and never silently a state that did not exist. */
static void rot(run *r)
{
    static uint8_t older[SIM_CAPACITY];
    sim_disk *d = &r->disk;
    uint8_t bytes[1200], out[1200];
    dx_cas_stats stats;
    size_t got, at, n;
    unsigned kind = any(r, 3), times = 1 + any(r, 3);
    int error;
    dx_cas_close(&r->store);
    for (n = 0; n < d->size; n++) older[n] = kind == 0 ? 0 : (uint8_t)(d->now[n] ^ (kind == 1 ? 1u << any(r, 8) : dx_test_random(&r->random)));
    while (times-- > 0 && d->size) {
        at = any(r, (unsigned)d->size);
        n = kind == 1 ? 1 : d->sector - at % d->sector;
        if (n > d->size - at) n = d->size - at;
        memcpy(d->now + at, older + at, n);
    }
    error = open_store(r, DX_CAS_READ);
    if (error == DX_CAS_OK) {
        dx_cas_get_stats(&r->store, &stats);
        NEED(r, stats.commits <= r->commits);
        if (dx_cas_verify(&r->store, tell, r, NULL) == DX_CAS_OK) check_state(r, &r->states[stats.commits]);
    } else {
        NEED(r, error == DX_CAS_ECORRUPT || error == DX_CAS_ENOTFOUND || error == DX_CAS_EVERSION || error == DX_CAS_ENOTSUP);
        error = open_store(r, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
    }
    for (unsigned i = 0; error == DX_CAS_OK && i < r->objects; i++) {
        n = object_of(r, i, bytes);
        if (dx_cas_get(&r->store, &r->ids[i], out, sizeof out, &got) != DX_CAS_OK) continue;
        NEED(r, got == n && memcmp(out, bytes, n) == 0);
    }
    for (unsigned i = 0; error == DX_CAS_OK && i < NAMES; i++) {
        dx_cas_ref ref;
        if (dx_cas_ref_get(&r->store, names[i], 0, &ref) != DX_CAS_OK) continue;
        for (n = 0; n < r->objects && !dx_cas_id_equal(&ref.root, &r->ids[n]); n++) {}
        NEED(r, n < r->objects);
    }
    dx_cas_close(&r->store);
    r->checks++;
}

static int tell_index(void *user, const dx_cas_damage *damage)
{
    run *r = (run *)user;
    bool of_index = damage->kind == DX_CAS_DAMAGE_INDEX || damage->kind == DX_CAS_DAMAGE_AHEAD;
    if (!of_index && !r->loose) r->damaged = true;
    return 0;
}

/* Damage a checkpoint, or revert it to another time or another store's: nothing is hidden or invented, and verify reports it. A
   writer continues, and its next checkpoint is right; but not with a whole block of a commit that the log lacks. */
static void rot_side(run *r)
{
    sim_disk *d = &r->side;
    uint8_t was[SIM_CAPACITY];
    size_t size = d->size, times = 1 + any(r, 3);
    int error;
    bool stale = false;
    dx_cas_stats stats;
    memcpy(was, d->now, sizeof was);
    dx_cas_close(&r->store);
    if (any(r, 2) || !d->size) {
        memset(d->now, 0, sizeof d->now);
        memcpy(d->now, r->old_side, r->old_side_size);
        d->size = r->old_side_size;
        stale = true;
    } else {
        while (times-- > 0) d->now[any(r, (unsigned)d->size)] ^= (uint8_t)(1u << any(r, 8));
        if (any(r, 4) == 0) sim_cut(d->now, &d->size, any(r, (unsigned)d->size));
    }
    bool same_bytes = d->size == size && memcmp(was, d->now, SIM_CAPACITY) == 0;
    bool prefix = d->size <= size && memcmp(was, d->now, d->size) == 0;
    for (int again = 0; again < 2; again++) {
        error = open_store(r, again ? DX_CAS_WRITE : DX_CAS_READ);
        dx_cas_get_stats(&r->store, &stats);
        if (again && stats.ahead) { /* a checkpoint with commits that were undone, or of another store */
            NEED(r, stale && error == DX_CAS_ECORRUPT);
            d->size = 0;
            error = open_store(r, DX_CAS_WRITE);
            dx_cas_get_stats(&r->store, &stats);
        }
        NEED(r, error == DX_CAS_OK);
        NEED(r, stats.commits == r->commits);
        check_state(r, &r->now);
        error = dx_cas_verify(&r->store, tell_index, r, NULL);
        NEED(r, !r->damaged && (error == DX_CAS_OK || error == DX_CAS_ECORRUPT));
        if (r->seed % 4 && !again && !same_bytes && !prefix) NEED(r, error == DX_CAS_ECORRUPT || stale);
        if (!r->loose && (again || same_bytes)) NEED(r, error == DX_CAS_OK);
    }
    error = dx_cas_checkpoint(&r->store);
    NEED(r, error == (r->seed % 4 ? DX_CAS_OK : DX_CAS_EINVAL));
    dx_cas_close(&r->store);
    error = open_store(r, DX_CAS_READ);
    NEED(r, error == DX_CAS_OK && (r->seed % 4 == 0 || r->store.saved_.end == r->store.tip_.end));
    check_state(r, &r->now);
    r->checks++;
}

static void start(run *r, uint64_t seed)
{
    sim_disk *d = &r->disk;
    r->seed = seed;
    r->random = seed;
    sim_disk_reset(d, seed ^ 0x5555, 16u << any(r, 6));
    sim_disk_reset(&r->side, seed ^ 0x7777, d->sector);
    r->side.main = d;
    r->level = any(r, 4);
    r->levels = r->level != DX_CAS_FULL && any(r, 2);
    r->barrier = any(r, 2);
    r->preallocate = any(r, 2) ? 0 : any(r, 3000);
    r->commits = r->durable = r->attempted = r->objects = 0;
    r->open = r->damaged = r->loose = r->struck = false;
    memset(&r->states[0], 0, sizeof r->states[0]);
    memset(&r->now, 0, sizeof r->now);
    SHOW(r, "run %llu: sector %u, level %u%s, preallocate %u%s\n", (unsigned long long)seed, d->sector, r->level,
         r->levels ? " and others" : "", r->preallocate, r->barrier ? ", with barriers" : "");
}

static bool one_run(run *r, uint64_t seed)
{
    if (setjmp(r->failed)) return false;
    start(r, seed);
    script(r);
    if (seed % 5 == 0) rot_side(r);
    if (seed % 4 < 2) rot(r);
    return true;
}

/* >>tests --------------------------------------------------------------- */
static run *new_run(void)
{
    run *r = (run *)calloc(1, sizeof *r);
    return r;
}

DX_TEST(w_76_every_device_call_of_scripted_runs_is_cut_or_fails)
{
    run *r = new_run();
    unsigned long runs = 0;
    for (uint64_t seed = 1; seed <= (RUNS > 50000 ? 60 : 10); seed++) {
        for (r->kind = SIM_FAIL_CUT; r->kind <= SIM_FAIL_FROM_THEN_ON; r->kind++) {
            for (long at = 1;; at++) {
                r->at = at;
                DX_CHECK(one_run(r, seed));
                runs++;
                if (!r->struck) break;
            }
        }
    }
    printf("     %lu runs: one for each call and kind of fault\n", runs);
    free(r);
}

/* One process per processor; each writes its counters into a pipe. */
DX_TEST(w_76_a_million_seeded_runs_with_power_cuts_errors_full_disks_and_damage)
{
    const char *runs_text = getenv("DX_CRASH_RUNS"), *seed_text = getenv("DX_CRASH_SEED");
    uint64_t runs = runs_text ? strtoull(runs_text, NULL, 0) : RUNS, first = seed_text ? strtoull(seed_text, NULL, 0) : 1;
    long processes = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t total[5] = {0}, counts[5];
    const char *show = getenv("DX_CRASH_SHOW");
    time_t began = time(NULL);
    int ends[2], status, bad = 0;
    if (show) {
        run *r = new_run();
        r->shown = true;
        DX_CHECK(one_run(r, strtoull(show, NULL, 0)));
        return;
    }
    if (processes < 1) processes = 1;
    if (processes > 8) processes = 8;
    DX_CHECK_EQ(pipe(ends), 0);
    for (long p = 0; p < processes; p++) {
        if (fork() == 0) {
            run *r = new_run();
            uint64_t done = 0;
            int failed = 0;
            for (uint64_t i = (uint64_t)p; i < runs && failed < 3; i += (uint64_t)processes, done++) failed += !one_run(r, first + i);
            counts[0] = done;
            counts[1] = r->faults;
            counts[2] = r->opens;
            counts[3] = r->checks;
            counts[4] = (uint64_t)failed;
            _exit(write(ends[1], counts, sizeof counts) == (ssize_t)sizeof counts ? 0 : 1);
        }
    }
    close(ends[1]);
    for (long p = 0; p < processes; p++) {
        if (read(ends[0], counts, sizeof counts) != (ssize_t)sizeof counts) {
            bad++;
            continue;
        }
        for (int i = 0; i < 5; i++) total[i] += counts[i];
    }
    close(ends[0]);
    while (wait(&status) > 0) bad += status != 0;
    printf("     %llu runs: %llu faults, %llu opens, %llu states compared, %llu failed; %ld s in %ld processes\n",
           (unsigned long long)total[0], (unsigned long long)total[1], (unsigned long long)total[2],
           (unsigned long long)total[3], (unsigned long long)total[4], (long)(time(NULL) - began), processes);
    DX_CHECK_EQ(total[4], 0);
    DX_CHECK_EQ(bad, 0);
    DX_CHECK_EQ(total[0], runs);
}

/* A writer that cannot read data it must complete reports that, and does not overwrite it. */
DX_TEST(w_76_a_writer_says_what_it_could_not_read)
{
    static sim_disk disk;
    static uint64_t memory[6000];
    static dx_cas_store s;
    dx_cas_desc d;
    dx_cas_id id;
    int failures = 0;
    memset(&d, 0, sizeof d);
    sim_disk_reset(&disk, 1, 512);
    d.device = sim_disk_device(&disk, false);
    d.memory = memory;
    d.memory_size = sizeof memory;
    for (int commits = 0; commits < 3; commits++) {
        bool failed = true;
        d.mode = DX_CAS_CREATE | DX_CAS_WRITE;
        sim_disk_rest(&disk);
        DX_CHECK_EQ(dx_cas_open(&s, &d), DX_CAS_OK);
        if (commits) DX_CHECK_EQ(dx_cas_put(&s, &commits, sizeof commits, &id), DX_CAS_OK);
        DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_OK);
        dx_cas_close(&s);
        for (long at = 1; failed; at++) {
            sim_disk_arm(&disk, SIM_FAIL_ONCE, at);
            const int error = dx_cas_open(&s, &d);
            failed = disk.failed;
            failures += failed;
            DX_CHECK_EQ(error != DX_CAS_OK, failed);
            dx_cas_close(&s);
        }
    }
    DX_CHECK(failures > 20);
}

/* The third of five versions of a name is unreadable: the others are found, also the older ones. */
DX_TEST(w_75_versions_behind_a_damaged_one_are_found)
{
    static sim_disk disk;
    static uint64_t memory[6000];
    static dx_cas_store s;
    dx_cas_desc d;
    dx_cas_ref ref;
    dx_cas_id ids[6];
    size_t at = 0, seen = 0;
    memset(&d, 0, sizeof d);
    sim_disk_reset(&disk, 1, 512);
    d.device = sim_disk_device(&disk, false);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.mode = DX_CAS_CREATE | DX_CAS_WRITE;
    DX_CHECK_EQ(dx_cas_open(&s, &d), DX_CAS_OK);
    for (int version = 1; version <= 5; version++) {
        memset(&ref, 0, sizeof ref);
        strcpy(ref.name, "a name");
        DX_CHECK_EQ(dx_cas_put(&s, &version, sizeof version, &ids[version]), DX_CAS_OK);
        ref.root = ids[version];
        DX_CHECK_EQ(dx_cas_ref_set(&s, &ref, DX_CAS_ANY_VERSION, NULL), DX_CAS_OK);
        DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_OK);
    }
    for (; seen < 3; at++) seen += memcmp(disk.now + at, "a name", 6) == 0;
    disk.now[at - 1] ^= 1; /* the third version's payload */
    for (uint64_t version = 1; version <= 5; version++) {
        const int error = dx_cas_ref_get(&s, "a name", version, &ref);
        DX_CHECK_EQ(error, version == 3 ? DX_CAS_ECORRUPT : DX_CAS_OK);
        if (version != 3) DX_CHECK(ref.version == version && dx_cas_id_equal(&ref.root, &ids[version]));
    }
    dx_cas_close(&s);
}
