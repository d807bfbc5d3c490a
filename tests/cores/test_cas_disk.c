/* Model of the disk under dx_cas.h and its layers. Each run writes a store on a failing disk, then damages any number of its
   sectors, in several ways at once, and opens, reads, verifies, repairs and collects it while calls keep failing. The oracle:
   what was acknowledged, and what was readable before.

   - Whatever was readable stays readable, and no read returns wrong bytes.
   - Whatever was acknowledged is there, or an error reports that it is not.
   - After a repair that returned DX_CAS_OK, a full check is clean and everything is readable.
   - A repair from an undamaged backup restores every byte.

   cc -std=c11 -O2 tests/cores/test_cas_disk.c -o build/test_cas_disk
   DX_TEST_RUNS=n        multiplies the number of runs; 50 makes a million
   DX_DISK_SHOW=1        trace each step of a run that failed */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../dx_cas_sim.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

/* A run takes 0.33 ms; with sanitizers or on an emulated processor, many times that. DX_TEST_SHORT: the tests run once per
   mutant. */
#if defined(DX_TEST_SHORT) || defined(__SANITIZE_ADDRESS__) || !(defined(__x86_64__) || defined(__aarch64__))
enum { RUNS = 3000 };
#else
enum { RUNS = 20000 };
#endif

/* >>model --------------------------------------------------------------- */
enum { OBJECTS = 48, OBJECT_MAX = 900, NAMES = 3, VERSIONS = 24, STATES = 24, RECORDS = SIM_CAPACITY / 64, MEMORY = 6000, DELTA_MEMORY = 600 };
static const char *const names[NAMES] = {"x", "y/z", "\xe2\x82\xac"};

typedef struct state { /* the content of one commit */
    uint64_t objects;
    struct { bool exists; unsigned version, oldest; uint8_t roots[VERSIONS]; } name[NAMES];
} state;

typedef struct object { /* content that was put, or whose put was attempted */
    dx_cas_id id;
    size_t    size;
    bool      node; /* a list node: its id is not that of a blob */
    uint8_t   bytes[OBJECT_MAX];
} object;

/* A store, open or not, with its memory. */
typedef struct side {
    sim_disk      disk;
    dx_cas_store  store;
    dx_cas_delta  delta;
    dx_cas_codec  codec;
    uint64_t      memory[MEMORY], delta_memory[DELTA_MEMORY];
} side;

/* Which content of the last state is readable. */
typedef struct view {
    bool     opened;
    uint64_t objects;
    uint32_t versions[NAMES];
} view;

typedef struct run {
    dx_choices *c;
    side        main, backup, spare;
    state       states[STATES], now; /* states[k]: after commit k; now: with uncommitted changes */
    unsigned    commits, durable, attempted, count, level, align_shift, preallocate;
    bool        barrier, loose, clean;
    object      objects[OBJECTS];
    uint8_t     image[SIM_CAPACITY]; /* of the last state, before the damage */
    size_t      image_end;
    uint64_t    homes[OBJECTS];      /* the offsets of the objects in the last state */
    struct { uint64_t place, end; } versions[NAMES][VERSIONS]; /* where the last state's versions were set */
    uint64_t    heads[RECORDS];      /* the offsets of all records */
    unsigned    records;
    uint64_t    begins[STATES], places[STATES]; /* of commit k: its first record; its own record */
    uint32_t    marks[STATES];
    bool        unsure;              /* a repair failed: its writes may be readable but not durable; */
    view        before;              /* what was readable before it */
} run;

static uint64_t runs, repairs, mended, clean_repairs, collections, lost_runs, told_runs, wanted_objects;

static bool shown;
#define SHOW(...)                                                                                  \
    do {                                                                                           \
        if (shown) printf(__VA_ARGS__);                                                            \
    } while (0)

static unsigned any(run *r, unsigned n) { return (unsigned)dx_choose(r->c, n - 1); }

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

static dx_cas_desc side_desc(run *r, side *s, uint32_t mode)
{
    static const dx_cas_delta_coder coder = {200, encode, decode, NULL};
    dx_cas_delta_desc how;
    dx_cas_desc desc;
    memset(&how, 0, sizeof how);
    how.store = &s->store;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = s->delta_memory;
    how.memory_size = sizeof s->delta_memory;
    how.object_size_max = OBJECT_MAX;
    OK(dx_cas_delta_init(&s->delta, &how));
    s->codec = dx_cas_delta_codec(&s->delta);
    memset(&desc, 0, sizeof desc);
    desc.device = sim_disk_device(&s->disk, r->barrier);
    desc.mode = mode;
    desc.memory = s->memory;
    desc.objects_max = 120;
    desc.object_size_max = OBJECT_MAX;
    desc.codecs = &s->codec;
    desc.codec_count = 1;
    desc.durability = r->level;
    desc.preallocate = r->preallocate;
    desc.align = 1u << r->align_shift;
    desc.store_id[0] = (uint8_t)(1 + (s == &r->spare));
    desc.memory_size = dx_cas_memory_size(&desc); /* no larger: clearing it takes time */
    DX_CHECK(desc.memory_size <= sizeof s->memory);
    return desc;
}

static int side_open(run *r, side *s, uint32_t mode)
{
    dx_cas_desc desc = side_desc(r, s, mode);
    dx_cas_close(&s->store);
    return dx_cas_open(&s->store, &desc);
}

/* Is object n there? The bytes returned must be right. */
static int read_object(run *r, side *s, unsigned n)
{
    const object *o = &r->objects[n];
    uint8_t out[OBJECT_MAX];
    size_t got = 0;
    int error = dx_cas_get(&s->store, &o->id, out, sizeof out, &got);
    if (error != DX_CAS_OK) return error;
    DX_CHECK_EQ(got, o->size);
    DX_CHECK_MEM(out, o->bytes, got);
    return DX_CAS_OK;
}

static bool is_known_root(const run *r, const dx_cas_id *id)
{
    for (unsigned n = 0; n < r->count; n++) {
        if (dx_cas_id_equal(&r->objects[n].id, id)) return true;
    }
    return false;
}

/* Check that the open store holds exactly this state. */
static void check_state(run *r, side *s, const state *want)
{
    dx_cas_ref ref;
    for (unsigned n = 0; n < r->count; n++) {
        DX_CHECK_EQ(read_object(r, s, n), want->objects >> n & 1 ? DX_CAS_OK : DX_CAS_ENOTFOUND);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned v = want->name[i].version;
        int error = dx_cas_ref_get(&s->store, names[i], 0, &ref);
        DX_CHECK_EQ(error, want->name[i].exists ? DX_CAS_OK : DX_CAS_ENOTFOUND);
        for (; want->name[i].exists && v >= want->name[i].oldest; v--) {
            DX_CHECK_EQ(error, DX_CAS_OK);
            DX_CHECK_EQ(ref.version, v);
            DX_CHECK(dx_cas_id_equal(&ref.root, &r->objects[want->name[i].roots[v]].id));
            error = dx_cas_ref_previous(&s->store, &ref);
        }
        DX_CHECK_EQ(error, DX_CAS_ENOTFOUND);
    }
}

/* Is this object read from where it was committed? A stale record of it (uncommitted, or from before a power cut) may have
   reappeared in place of another; it is readable by chance, and disappears when the other is restored. */
static bool is_at_home(run *r, unsigned n)
{
    dx_cas_ext_record record;
    return dx_cas_p_find(&r->main.store, &r->objects[n].id, &record, NULL) == DX_CAS_OK && record.place == r->homes[n];
}

/* Does any byte in this range differ from before the damage? */
static bool hit(const run *r, uint64_t from, uint64_t to)
{
    return memcmp(r->image + from, r->main.disk.now + from, (size_t)(to - from)) != 0;
}

/* Is the record where version k of that name was set? If not, it is a stale one, readable by chance. */
static bool is_set_at_home(const run *r, unsigned name, unsigned k)
{
    return r->versions[name][k].end > 0 && !hit(r, r->versions[name][k].place, r->versions[name][k].end);
}

/* What the damaged main store still returns of the last state. */
static view look(run *r)
{
    const state *last = &r->states[r->commits];
    view v;
    memset(&v, 0, sizeof v);
    v.opened = side_open(r, &r->main, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE) == DX_CAS_OK;
    if (!v.opened) return v;
    for (unsigned n = 0; n < r->count; n++) {
        if (read_object(r, &r->main, n) == DX_CAS_OK && is_at_home(r, n)) v.objects |= (uint64_t)1 << n;
    }
    SHOW("  read: up to %llu\n", (unsigned long long)r->main.store.end_);
    v.objects &= last->objects;
    for (unsigned i = 0; i < NAMES; i++) {
        for (unsigned k = last->name[i].oldest; last->name[i].exists && k <= last->name[i].version; k++) {
            dx_cas_ref ref;
            int error = dx_cas_ref_get(&r->main.store, names[i], k, &ref);
            if (error != DX_CAS_OK) SHOW("  version %u of %s: %s\n", k, names[i], dx_cas_error_name(error));
            if (error != DX_CAS_OK) continue;
            DX_CHECK(is_known_root(r, &ref.root));
            if (!dx_cas_id_equal(&ref.root, &r->objects[last->name[i].roots[k]].id)) continue;
            if (is_set_at_home(r, i, k)) v.versions[i] |= (uint32_t)1 << k;
        }
    }
    return v;
}

static void check_no_less(const view *before, const view *after)
{
    DX_CHECK(after->opened || !before->opened);
    DX_CHECK_EQ(before->objects & ~after->objects, 0);
    for (unsigned i = 0; i < NAMES; i++) DX_CHECK_EQ(before->versions[i] & ~after->versions[i], 0);
}

/* >>history: writing a store, with a program that dies and a disk that fails ----------------- */
/* The disk holds a state from `least` up to the last attempted. */
static void reopen(run *r, unsigned least)
{
    dx_cas_stats stats;
    unsigned k;
    OK(side_open(r, &r->main, DX_CAS_WRITE | DX_CAS_CREATE));
    dx_cas_get_stats(&r->main.store, &stats);
    k = (unsigned)stats.commits;
    SHOW("  open: commit %u of %u..%u\n", k, least, r->attempted);
    DX_CHECK(k >= least && k <= r->attempted);
    r->now = r->states[k];
    if (r->attempted > k && r->loose) sim_settle(&r->main.disk); /* else the next power cut may revive a failed commit */
    r->commits = r->attempted = k;
    if (r->durable > k) r->durable = k;
}

static void arm(run *r)
{
    static const int kinds[] = {SIM_FAIL_NEVER, SIM_FAIL_ONCE, SIM_FAIL_CUT, SIM_FAIL_FROM_THEN_ON};
    sim_disk *d = &r->main.disk;
    sim_disk_arm(d, kinds[any(r, 4)], 1 + (long)any(r, 40));
    d->limit = any(r, 6) ? SIM_CAPACITY : d->size + any(r, 2000);
}

/* A call failed: the program ends, perhaps with a power cut, and another one continues when the disk works again. */
static void crash(run *r)
{
    sim_disk *d = &r->main.disk;
    bool cut = d->off || any(r, 2);
    dx_cas_close(&r->main.store);
    if (cut) sim_disk_power(d);
    sim_disk_arm(d, SIM_FAIL_NEVER, 0);
    d->limit = SIM_CAPACITY;
    reopen(r, cut ? r->durable : r->commits);
    arm(r);
}

/* A new object: plain, another one with other first bytes, a list node, or bytes copied from the disk. */
static unsigned new_object(run *r)
{
    unsigned n = r->count, kind = any(r, 6), like = n ? any(r, n) : 0;
    object *o = &r->objects[n];
    uint64_t seed = dx_choose(r->c, 0xffffffff);
    memset(o, 0, sizeof *o);
    o->size = 8 + any(r, any(r, 4) ? 120 : OBJECT_MAX - 8);
    for (size_t i = 0; i < o->size; i++) o->bytes[i] = (uint8_t)dx_test_random(&seed);
    if (kind == 1 && n && !r->objects[like].node) {
        memcpy(o->bytes + 4, r->objects[like].bytes + 4, r->objects[like].size - 4);
        o->size = r->objects[like].size;
    } else if (kind == 2 && r->main.disk.size > 400) { /* records as content: not records of the store */
        size_t from = (r->main.disk.size - 400) / 8 * any(r, 9);
        memcpy(o->bytes, r->main.disk.now + from / 8 * 8, 400);
        o->size = 400;
    } else if (kind == 3 && n && !r->objects[like].node) {
        o->node = true;
        o->size = 56;
        memset(o->bytes, 0, 16);
        o->bytes[0] = o->bytes[4] = 1;
        dx_cas_p_store64(o->bytes + 8, r->objects[like].size);
        memcpy(o->bytes + 16, r->objects[like].id.bytes, 32);
        dx_cas_p_store64(o->bytes + 48, r->objects[like].size);
    }
    dx_cas_p_id_of(o->node ? DX_CAS_EXT_LIST : DX_CAS_EXT_BLOB, o->bytes, o->size, &o->id);
    for (unsigned i = 0; i < n; i++) {
        if (dx_cas_id_equal(&r->objects[i].id, &o->id)) return i;
    }
    r->count++;
    return n;
}

/* Put an object into a store, after its dependencies. */
static int put_into(run *r, side *s, unsigned n, bool as_delta)
{
    object *o = &r->objects[n];
    dx_cas_id id;
    int error;
    if (o->node) {
        dx_cas_id child;
        memcpy(child.bytes, o->bytes + 16, 32);
        if (dx_cas_has(&s->store, &child) != DX_CAS_OK) return DX_CAS_ENOTFOUND;
        error = dx_cas_p_may_write(&s->store);
        return error ? error : dx_cas_p_put(&s->store, DX_CAS_EXT_LIST, 1, o->bytes, o->size, &id);
    }
    for (unsigned i = 0; as_delta && i < n; i++) {
        if (r->objects[i].size != o->size || memcmp(r->objects[i].bytes + 4, o->bytes + 4, o->size - 4) != 0) continue;
        return dx_cas_delta_put(&s->delta, o->bytes, o->size, &r->objects[i].id, 0, &id);
    }
    return dx_cas_put(&s->store, o->bytes, o->size, &id);
}

static int put_object(run *r)
{
    unsigned n = r->count == OBJECTS || (r->count && any(r, 6) == 0) ? any(r, r->count) : new_object(r);
    int error = put_into(r, &r->main, n, true);
    if (error == DX_CAS_OK) r->now.objects |= (uint64_t)1 << n;
    return error == DX_CAS_ENOTFOUND && r->objects[n].node ? DX_CAS_OK : error;
}

static int change_name(run *r)
{
    unsigned i = any(r, NAMES), n, tries, what = any(r, 6), v = r->now.name[i].version;
    bool exists = r->now.name[i].exists;
    dx_cas_ref ref;
    uint64_t version = 0;
    int error;
    if (exists && what == 0) {
        error = dx_cas_ref_delete(&r->main.store, names[i], v);
        if (error == DX_CAS_OK) r->now.name[i].exists = false;
        return error;
    }
    if (exists && what == 1) {
        unsigned oldest = r->now.name[i].oldest + any(r, v - r->now.name[i].oldest + 1);
        error = dx_cas_ref_trim(&r->main.store, names[i], oldest);
        if (error == DX_CAS_OK) r->now.name[i].oldest = oldest;
        return error;
    }
    if (r->now.objects == 0 || v + 1 >= VERSIONS) return DX_CAS_OK;
    n = any(r, r->count);
    for (tries = 0; !(r->now.objects >> n & 1) && tries < r->count; tries++) n = (n + 1) % r->count;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, names[i]);
    ref.root = ref.content = r->objects[n].id;
    error = dx_cas_ref_set(&r->main.store, &ref, exists ? v : 0, &version);
    if (error != DX_CAS_OK) return error;
    DX_CHECK_EQ(version, v + 1);
    r->now.name[i].version = v + 1;
    r->now.name[i].roots[v + 1] = (uint8_t)n;
    if (!exists) r->now.name[i].oldest = v + 1;
    r->now.name[i].exists = true;
    return DX_CAS_OK;
}

static int commit(run *r)
{
    dx_cas_stats stats;
    int error;
    if (r->commits + 1 >= STATES) return DX_CAS_OK;
    r->states[r->commits + 1] = r->now;
    r->attempted = r->commits + 1;
    error = dx_cas_commit(&r->main.store);
    if (error != DX_CAS_OK) return error;
    dx_cas_get_stats(&r->main.store, &stats); /* without changes there is no commit */
    DX_CHECK(stats.commits == r->commits || stats.commits == r->commits + 1);
    if (!r->loose) r->durable = (unsigned)stats.commits;
    r->commits = r->attempted = (unsigned)stats.commits;
    return DX_CAS_OK;
}

static void start(run *r, dx_choices *c)
{
    sim_disk *d = &r->main.disk;
    r->c = c;
    r->level = any(r, 2) ? DX_CAS_FULL : any(r, 4);
    r->barrier = any(r, 2);
    r->loose = r->level == DX_CAS_NONE || (r->level == DX_CAS_BARRIER && r->barrier);
    r->align_shift = any(r, 2) ? 3 : 3 + any(r, 7);
    r->preallocate = any(r, 3) ? 0 : any(r, 2000);
    r->commits = r->durable = r->attempted = r->count = 0;
    memset(&r->states[0], 0, sizeof r->states[0]);
    memset(&r->now, 0, sizeof r->now);
    r->unsure = false;
    sim_disk_reset(d, dx_choose(c, 0xffffffff), 64u << any(r, 5));
    d->forgetful = any(r, 4) != 3; /* a failed sync marks its pages clean, as Linux does */
    shown = getenv("DX_DISK_SHOW") != NULL;
    SHOW("run: level %u, barriers %d, align %u, preallocate %u, sector %u%s\n", r->level, r->barrier, 1u << r->align_shift,
         r->preallocate, d->sector, d->forgetful ? ", forgetful" : "");
    runs++;
}

static void history(run *r)
{
    sim_disk *d = &r->main.disk;
    unsigned steps = 2 + any(r, 30);
    reopen(r, 0);
    arm(r);
    while (steps-- > 0 && d->size < SIM_CAPACITY - 6000) {
        unsigned what = any(r, 12);
        int error = what < 5 ? put_object(r) : what < 8 ? change_name(r) : what < 11 ? commit(r) : DX_CAS_ECANCELED;
        SHOW("  step %u: %s\n", what, dx_cas_error_name(error));
        if (error == DX_CAS_OK) continue;
        DX_CHECK(d->failed || what == 11);
        if (error == DX_CAS_ENOSPACE && what < 8 && any(r, 2)) { /* nothing has changed: continue once there is room */
            d->limit = SIM_CAPACITY;
            continue;
        }
        crash(r);
    }
    dx_cas_close(&r->main.store);
    if (any(r, 2)) sim_disk_power(d);
    else sim_disk_rest(d);
    sim_disk_arm(d, SIM_FAIL_NEVER, 0);
    d->limit = SIM_CAPACITY;
    reopen(r, r->loose ? 0 : r->durable);
    check_state(r, &r->main, &r->now);
    if (!r->loose) DX_CHECK_MEM(d->now, d->stable, r->main.store.end_); /* opening to write makes everything found durable */
    dx_cas_close(&r->main.store);
    sim_disk_rest(d);
}

static void note_version(run *r, const dx_cas_ext_record *record)
{
    const uint8_t *payload = r->image + record->place + DX_CAS_EXT_HEAD;
    uint64_t version = dx_cas_p_load64(payload + 8);
    if (payload[0] != DX_CAS_EXT_SET) return;
    DX_CHECK(version < VERSIONS);
    for (unsigned i = 0; i < NAMES; i++) {
        if (payload[1] != strlen(names[i]) || memcmp(payload + DX_CAS_EXT_REF_FIXED, names[i], payload[1]) != 0) continue;
        r->versions[i][version].place = record->place;
        r->versions[i][version].end = record->place + DX_CAS_EXT_HEAD + record->stored;
    }
}

/* Find the offsets of the commits in the log itself. */
static void survey(run *r)
{
    dx_cas_p_scan scan;
    dx_cas_ext_record record;
    side *s = &r->main;
    uint64_t begin;
    dx_cas_report report;
    OK(side_open(r, s, DX_CAS_READ));
    int error = dx_cas_verify(&s->store, NULL, NULL, &report);
    /* after a power cut, data not synced twice may have a torn copy or nonzero padding: nothing is lost */
    DX_CHECK(error == DX_CAS_OK || (error == DX_CAS_ECORRUPT && r->level != DX_CAS_FULL));
    r->clean = error == DX_CAS_OK;
    r->image_end = (size_t)s->store.end_;
    memcpy(r->image, s->disk.now, sizeof r->image);
    dx_cas_p_scan_start(&scan, &s->store, s->store.end_, false);
    r->records = 0;
    memset(r->versions, 0, sizeof r->versions);
    scan.place = begin = dx_cas_p_align(&s->store, 2 * DX_CAS_EXT_HEAD);
    while (dx_cas_p_step(&scan, &record) == DX_CAS_OK) {
        SHOW("  %s %llu..%llu%s\n", (const char *[]){"gap", "blob", "list", "ref", "commit"}[record.type],
             (unsigned long long)record.place, (unsigned long long)record.next, record.flags >> 8 ? " marked" : "");
        r->heads[r->records++] = record.place;
        for (unsigned n = 0; record.type <= DX_CAS_EXT_LIST && n < r->count; n++) {
            if (dx_cas_id_equal(&record.id, &r->objects[n].id)) r->homes[n] = record.place;
        }
        if (record.type == DX_CAS_EXT_REF) note_version(r, &record);
        if (record.type != DX_CAS_EXT_COMMIT) continue;
        DX_CHECK(record.logical <= r->commits);
        r->begins[record.logical] = begin;
        r->places[record.logical] = record.place;
        r->marks[record.logical] = record.flags >> 8;
        begin = record.next;
    }
    dx_cas_close(&s->store);
}

/* >>damage ---------------------------------------------------------------- */
static void damage(run *r, sim_disk *d, unsigned most)
{
    unsigned times = any(r, most + 1), sectors = (unsigned)(d->size / d->sector) + 1;
    unsigned at = any(r, sectors);
    for (; times > 0; times--) {
        int kind = (int)any(r, SIM_KINDS);
        SHOW("  damage %d of sector %u at %u\n", kind, at, at * d->sector);
        sim_disk_damage(d, kind, at, dx_choose(r->c, UINT64_MAX));
        at = any(r, 3) ? any(r, sectors) : at + 1; /* neighbours often fail together */
    }
}

/* Does anything left identify the store? */
static bool is_recognisable(const run *r)
{
    if (!hit(r, 0, 64) || !hit(r, 64, 128)) return true;
    for (unsigned i = 0; i < r->records; i++) {
        if (!hit(r, r->heads[i], r->heads[i] + 64)) return true;
    }
    return false;
}

static bool copies_hit(const run *r, unsigned k)
{
    return hit(r, r->places[k], r->places[k] + 64) && hit(r, r->places[k] + 64, r->places[k] + 128);
}

/* Was enough damaged that commit k may be lost undetected? docs/formats/cas.md, section 9, lists such damage. */
static bool may_be_gone(const run *r, unsigned k, bool before_gone)
{
    uint64_t place = r->places[k];
    if (copies_hit(r, k)) return true;
    if (r->marks[k] & (DX_CAS_EXT_LOOSE | DX_CAS_EXT_ORDERED)) return before_gone || hit(r, r->begins[k], place + 128);
    return (r->marks[k] & DX_CAS_EXT_ONCE) && hit(r, r->begins[k], place + 128);
}

/* Opening without accepting damage, then verifying, either reports every loss or finds everything. */
static bool check_silence(run *r)
{
    dx_cas_stats stats;
    side *s = &r->main;
    int error = side_open(r, s, DX_CAS_READ);
    bool header = hit(r, 0, 64) && hit(r, 64, 128), gone = false;
    if (error != DX_CAS_OK) {
        DX_CHECK(error == DX_CAS_ECORRUPT || (error == DX_CAS_ENOTFOUND && header));
        return false;
    }
    dx_cas_get_stats(&s->store, &stats);
    for (unsigned k = 1; k <= r->commits; k++) {
        gone = may_be_gone(r, k, gone);
        if (k > stats.commits) DX_CHECK(gone);
    }
    SHOW("  opens: commit %u of %u\n", (unsigned)stats.commits, r->commits);
    if (dx_cas_verify(&s->store, NULL, NULL, NULL) != DX_CAS_OK) return false;
    DX_CHECK(stats.commits <= r->commits || gone);
    if (stats.commits <= r->commits && (stats.commits == 0 || !copies_hit(r, (unsigned)stats.commits))) {
        check_state(r, s, &r->states[stats.commits]);
        return true;
    }
    return false; /* an older attempt reappeared in place of the last commit: intact, but different */
}

/* >>repair ---------------------------------------------------------------- */
enum { WITH_NOTHING, WITH_WHOLE, WITH_DAMAGED, WITH_OLDER, WITH_ANOTHER, SOURCES };

/* Another program's store with the same objects. */
static void fill_another(run *r)
{
    sim_disk_reset(&r->spare.disk, 1, r->main.disk.sector);
    OK(side_open(r, &r->spare, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 0; n < r->count && r->spare.disk.size < SIM_CAPACITY - 6000; n++) {
        int error = put_into(r, &r->spare, n, any(r, 2));
        DX_CHECK(error == DX_CAS_OK || (error == DX_CAS_ENOTFOUND && r->objects[n].node));
    }
    OK(dx_cas_commit(&r->spare.store));
}

static dx_cas_store *source(run *r, unsigned what)
{
    sim_disk *d = &r->backup.disk;
    size_t end = r->image_end;
    if (what == WITH_NOTHING) return NULL;
    if (what == WITH_ANOTHER) {
        fill_another(r);
        return &r->spare.store;
    }
    if (what == WITH_OLDER && r->commits > 1) {
        unsigned k = 1 + any(r, r->commits - 1);
        end = (size_t)r->begins[k + 1];
    }
    sim_disk_reset(d, 1, r->main.disk.sector);
    sim_disk_load(d, r->image, r->main.disk.older, end);
    if (what == WITH_DAMAGED) damage(r, d, 5);
    if (side_open(r, &r->backup, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE) != DX_CAS_OK) return NULL;
    return &r->backup.store;
}

static int count_lost(void *user, const dx_cas_damage *damaged)
{
    DX_CHECK(damaged->kind >= DX_CAS_DAMAGE_HEADER && damaged->kind <= DX_CAS_DAMAGE_AHEAD);
    DX_CHECK(damaged->size <= SIM_CAPACITY);
    SHOW("  lost: kind %u at %llu, %llu bytes\n", damaged->kind, (unsigned long long)damaged->offset,
         (unsigned long long)damaged->size);
    ++*(uint64_t *)user;
    return 0;
}

/* Is the header of object n where it was committed? */
static bool header_is_there(const run *r, unsigned n) { return !hit(r, r->homes[n], r->homes[n] + 64); }

/* Object n of the last state in the other store, if it is readable there. */
static bool is_in(run *r, side *s, unsigned n, dx_cas_ext_record *record)
{
    return read_object(r, s, n) == DX_CAS_OK && dx_cas_p_find(&s->store, &r->objects[n].id, record, NULL) == DX_CAS_OK;
}

/* The objects that a repair from this source must restore: those with a header here and content there in the same form; from a
   copy, also those whose record is intact there. */
static uint64_t wanted(run *r, unsigned what)
{
    side *s = what == WITH_ANOTHER ? &r->spare : &r->backup;
    dx_cas_ext_record here, there;
    uint64_t set = 0;
    for (unsigned n = 0; n < r->count; n++) {
        uint8_t head[64];
        if (!(r->states[r->commits].objects >> n & 1) || !is_in(r, s, n, &there)) continue;
        if (what != WITH_ANOTHER && there.place == r->homes[n] && memcmp(there.head, r->image + there.place, 64) == 0) {
            set |= (uint64_t)1 << n;
        }
        if (!header_is_there(r, n)) continue;
        memcpy(head, r->image + r->homes[n], sizeof head);
        here.codec = head[5];
        here.stored = dx_cas_p_load64(head + 8);
        if (here.codec == 0 || (what != WITH_ANOTHER && here.codec == there.codec && here.stored == there.stored)) {
            set |= (uint64_t)1 << n;
        }
    }
    return set;
}

/* Is this byte part of an object that matches its id, or of its padding? */
static bool is_proved(run *r, size_t at)
{
    dx_cas_store *s = &r->main.store;
    dx_cas_ext_record record;
    for (size_t place = at - at % s->form_.align; place >= 128; place -= s->form_.align) {
        int error = dx_cas_ext_record_decode(&s->form_, place, r->main.disk.now + place, &record);
        if (error != DX_CAS_OK || record.type > DX_CAS_EXT_LIST || at >= record.next) continue;
        error = dx_cas_p_stream(s, &record, NULL, 0);
        if (error == DX_CAS_OK || error == DX_CAS_EBASE) return true;
    }
    return false;
}

/* Is there an intact stale object in place of object n? It may belong to another branch, and stays. */
static bool is_taken(run *r, unsigned n)
{
    size_t at = (size_t)r->homes[n], end = at + 64 + (size_t)dx_cas_p_load64(r->image + at + 8);
    for (; at < end; at++) {
        if (r->main.disk.now[at] != r->image[at] && is_proved(r, at)) return true;
    }
    return false;
}

/* Check that each of these below the end of the log is readable. */
static void check_wanted(run *r, uint64_t set, const view *after)
{
    if (!after->opened) return;
    for (unsigned n = 0; n < r->count; n++) {
        if (!(set >> n & 1) || r->homes[n] >= r->main.store.end_) continue;
        int error = read_object(r, &r->main, n); /* from there, or from where a stale record of it reappeared */
        if (error != DX_CAS_OK && is_taken(r, n)) continue;
        if (error != DX_CAS_OK) SHOW("  object %u at %llu is not back\n", n, (unsigned long long)r->homes[n]);
        OK(error);
        wanted_objects++;
    }
}

/* Every written byte is the original one, or belongs to a stale object of the copy that matches its id. */
static void check_written(run *r, const uint8_t *before)
{
    for (size_t i = 0; i < r->image_end; i++) {
        if (before[i] == r->main.disk.now[i] || r->main.disk.now[i] == r->image[i] || is_proved(r, i)) continue;
        SHOW("  written at %zu: %02x, was %02x before, and %02x at first\n", i, r->main.disk.now[i], before[i], r->image[i]);
        DX_CHECK(r->main.disk.now[i] == r->image[i]);
    }
}

/* One repair; the disk or the backup's disk may fail on the way, or the power. */
static void repair(run *r)
{
    unsigned what = any(r, SOURCES);
    sim_disk *d = &r->main.disk;
    view seen = look(r), after;
    bool silent = check_silence(r), known = is_recognisable(r), faults = any(r, 3) == 0;
    dx_cas_store *other = source(r, what);
    dx_cas_desc desc = side_desc(r, &r->main, DX_CAS_READ);
    dx_cas_repair_report report;
    uint64_t lost = 0, set = other ? wanted(r, what) : 0;
    static uint8_t was[SIM_CAPACITY];
    int error;
    memset(&report, 0, sizeof report);
    memcpy(was, d->now, sizeof was);
    if (!r->unsure) r->before = seen;
    if (faults) arm(r);
    if (faults && any(r, 2)) sim_disk_arm(&r->backup.disk, SIM_FAIL_ONCE, 1 + (long)any(r, 40));
    error = dx_cas_repair(&r->main.store, &desc, other, count_lost, &lost, &report);
    SHOW("  repair with %u: %s, %llu repaired, %llu lost, main failed %d\n", what, dx_cas_error_name(error),
         (unsigned long long)report.repaired, (unsigned long long)report.lost, d->failed);
    repairs++;
    faults = d->failed || (faults && r->backup.disk.failed);
    if (!d->failed) DX_CHECK_EQ(report.lost, lost);
    if (error == DX_CAS_OK) DX_CHECK_EQ(lost, 0);
    dx_cas_close(&r->main.store);
    r->unsure = d->failed && error != DX_CAS_OK;
    if (d->off || any(r, 2)) {
        sim_disk_power(d);
        r->unsure = false;
    }
    sim_disk_rest(d);
    after = look(r);
    check_no_less(&r->before, &after);
    if (!faults) check_wanted(r, set, &after);
    if (!faults && r->clean && after.opened) check_written(r, was);
    if (error == DX_CAS_OK && report.repaired > 0) mended++;
    if (error == DX_CAS_OK && !faults) {
        DX_CHECK(check_silence(r) || !silent);
        OK(side_open(r, &r->main, DX_CAS_READ));
        OK(dx_cas_verify(&r->main.store, NULL, NULL, NULL));
        clean_repairs++;
    }
    if (what == WITH_WHOLE && !faults && r->clean && known) {
        DX_CHECK_EQ(error, DX_CAS_OK);
        for (size_t i = 0; i < r->image_end; i++) {
            if (r->image[i] != d->now[i]) SHOW("  differs at %zu\n", i);
        }
        DX_CHECK(!hit(r, 0, r->image_end));
    }
}

/* >>collect --------------------------------------------------------------- */
static void collect(run *r)
{
    side *s = &r->main, *to = &r->spare;
    dx_cas_stats stats;
    bool clean = check_silence(r);
    int error = side_open(r, s, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
    if (error != DX_CAS_OK) return;
    sim_disk_reset(&to->disk, 2, s->disk.sector);
    OK(side_open(r, to, DX_CAS_WRITE | DX_CAS_CREATE));
    error = dx_cas_compact_into(&s->store, &to->store);
    DX_CHECK(error == DX_CAS_OK || !clean);
    for (unsigned n = 0; n < r->count; n++) (void)read_object(r, to, n);
    collections++;
    if (!clean) return;
    OK(dx_cas_verify(&to->store, NULL, NULL, NULL));
    dx_cas_get_stats(&s->store, &stats);
    state live = r->states[stats.commits];
    for (unsigned i = 0; i < NAMES; i++) {
        dx_cas_ref ref;
        error = dx_cas_ref_get(&to->store, names[i], 0, &ref);
        DX_CHECK_EQ(error, live.name[i].exists ? DX_CAS_OK : DX_CAS_ENOTFOUND);
        if (error != DX_CAS_OK) continue;
        DX_CHECK_EQ(ref.version, live.name[i].version);
        OK(read_object(r, to, live.name[i].roots[live.name[i].version]));
    }
}

/* A sound store accepts more, as usual. */
static void go_on(run *r)
{
    dx_cas_stats stats;
    if (!check_silence(r)) return;
    OK(side_open(r, &r->main, DX_CAS_WRITE));
    dx_cas_get_stats(&r->main.store, &stats);
    OK(dx_cas_put(&r->main.store, "one more", 8, NULL));
    OK(dx_cas_commit(&r->main.store));
    OK(side_open(r, &r->main, DX_CAS_READ));
    OK(dx_cas_verify(&r->main.store, NULL, NULL, NULL));
}

/* >>tests ----------------------------------------------------------------- */
static run model;

DX_PROPERTY(st_5_a_disk_with_any_faults_at_once, RUNS)
{
    run *r = &model;
    unsigned steps;
    view whole, damaged;
    start(r, c);
    history(r);
    survey(r);
    whole = look(r);
    damage(r, &r->main.disk, 6);
    damaged = look(r);
    check_no_less(&damaged, &whole);
    if (memcmp(&damaged, &whole, sizeof whole) != 0) lost_runs++;
    if (!check_silence(r)) told_runs++;
    for (steps = any(r, 5); steps > 0; steps--) {
        if (any(r, 4)) repair(r);
        else collect(r);
        if (any(r, 8) == 0 && !r->unsure) damage(r, &r->main.disk, 2);
    }
    go_on(r);
}

/* A stale record reappears whose size extends over the commits after it: these are not cut off as a torn tail. */
DX_TEST(st_5_an_old_record_that_covers_the_last_commit_is_damage)
{
    run *r = &model;
    side *s = &r->main;
    static uint8_t big[OBJECT_MAX];
    dx_cas_report report;
    r->level = DX_CAS_FULL;
    r->barrier = false;
    r->align_shift = 3;
    r->preallocate = 4000;
    sim_disk_reset(&s->disk, 1, 64);
    OK(side_open(r, s, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s->store, big, sizeof big, NULL)); /* uncommitted: the next writer cuts it off */
    memcpy(r->image, s->disk.now, 256);
    OK(side_open(r, s, DX_CAS_WRITE));
    OK(dx_cas_put(&s->store, "small", 5, NULL));
    OK(dx_cas_commit(&s->store));
    dx_cas_close(&s->store);
    sim_disk_rest(&s->disk);
    DX_CHECK(s->disk.size > 128 + 64 + sizeof big);
    memcpy(s->disk.now + 128, r->image + 128, 64);
    DX_CHECK_EQ(side_open(r, s, DX_CAS_WRITE), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s->store), 128);
    OK(side_open(r, s, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE));
    DX_CHECK_EQ(dx_cas_verify(&s->store, NULL, NULL, &report), DX_CAS_ECORRUPT);
    DX_CHECK(report.damaged > 0);
    dx_cas_close(&s->store);
}

/* The same before an unsynced commit, with records after it that no commit follows: a power cut left it so, and the log ends
   before the commit, wherever the next gap is. */
DX_TEST(st_5_an_old_record_that_covers_a_loose_commit_is_a_cut)
{
    run *r = &model;
    side *s = &r->main;
    static uint8_t big[OBJECT_MAX], behind[OBJECT_MAX];
    dx_cas_stats stats;
    memset(behind, 0x55, sizeof behind);
    r->level = DX_CAS_NONE;
    r->barrier = false;
    r->align_shift = 3;
    r->preallocate = 0;
    sim_disk_reset(&s->disk, 1, 64);
    OK(side_open(r, s, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s->store, big, 600, NULL));
    memcpy(r->image, s->disk.now, 256);
    OK(side_open(r, s, DX_CAS_WRITE)); /* cuts it off */
    OK(dx_cas_put(&s->store, "small", 5, NULL));
    OK(dx_cas_commit(&s->store));
    OK(dx_cas_put(&s->store, behind, sizeof behind, NULL)); /* the stale record ends inside it */
    OK(dx_cas_put(&s->store, "more", 4, NULL));             /* and this one is found after the gap */
    dx_cas_close(&s->store);
    memcpy(s->disk.now + 128, r->image + 128, 64);
    OK(side_open(r, s, DX_CAS_WRITE));
    dx_cas_get_stats(&s->store, &stats);
    DX_CHECK_EQ(stats.commits, 0);
    DX_CHECK_EQ(stats.damaged_places, 0);
    DX_CHECK_EQ(s->disk.size, 128);
    dx_cas_close(&s->store);
}

/* Opening to write cuts off the tail, and writes beyond it only after the cut is durable, or has been ordered first. */
DX_TEST(st_5_a_writer_makes_the_cut_durable_at_every_level)
{
    run *r = &model;
    side *s = &r->main;
    r->align_shift = 3;
    r->preallocate = 0;
    for (unsigned i = 0; i < 8; i++) {
        sim_disk *d = &s->disk;
        r->barrier = i >= 4;
        r->level = DX_CAS_FULL_ONCE;
        sim_disk_reset(d, 1, 64);
        OK(side_open(r, s, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(dx_cas_put(&s->store, "one", 3, NULL));
        OK(dx_cas_commit(&s->store));
        OK(dx_cas_put(&s->store, "two", 3, NULL));
        size_t end = d->size;
        sim_disk_rest(d);
        r->level = i % 4;
        OK(side_open(r, s, DX_CAS_WRITE));
        DX_CHECK(d->size < end);
        if (d->count > 0) DX_CHECK(r->level == DX_CAS_BARRIER && r->barrier && d->ops[d->count - 1].kind == SIM_BARRIER);
        else DX_CHECK_EQ(d->stable_size, d->size);
        dx_cas_close(&s->store);
    }
}

/* Opening a store without commits to write makes its header durable, at every level: the sync of its creation may have failed and
   left only what the page cache returns. */
DX_TEST(st_5_a_header_that_a_failed_sync_forgot_becomes_durable)
{
    run *r = &model;
    side *s = &r->main;
    sim_disk *d = &s->disk;
    unsigned forgotten = 0;
    r->align_shift = 3;
    r->preallocate = 0;
    for (unsigned i = 0; i < 8 * 8 * 8; i++) {
        r->barrier = i / 4 % 2;
        r->level = i % 4;
        sim_disk_reset(d, i, 64);
        d->forgetful = true;
        sim_disk_arm(d, SIM_FAIL_ONCE, 1 + i / 8 % 8);
        if (side_open(r, s, DX_CAS_WRITE | DX_CAS_CREATE) == DX_CAS_OK) continue;
        sim_disk_arm(d, SIM_FAIL_NEVER, 0);
        forgotten += d->size >= 128 && d->count == 0 && memcmp(d->now, d->stable, 128) != 0;
        OK(side_open(r, s, DX_CAS_WRITE | DX_CAS_CREATE));
        DX_CHECK(d->stable_size >= 128);
        DX_CHECK_MEM(d->stable, d->now, 128);
        dx_cas_close(&s->store);
    }
    DX_CHECK(forgotten > 0);
}

DX_TEST(st_5_what_the_model_met)
{
    sim_disk *d = &model.main.disk, *b = &model.backup.disk;
    if (runs == 0) DX_SKIP("the model did not run");
    printf("     %llu runs: %llu failed calls, %llu sectors zeroed, %llu old, %llu misdirected, %llu flipped\n",
           (unsigned long long)runs, (unsigned long long)(d->faults + b->faults),
           (unsigned long long)(d->damaged[SIM_ZERO] + b->damaged[SIM_ZERO]),
           (unsigned long long)(d->damaged[SIM_STALE] + b->damaged[SIM_STALE]),
           (unsigned long long)(d->damaged[SIM_MISDIRECTED] + b->damaged[SIM_MISDIRECTED]),
           (unsigned long long)(d->damaged[SIM_FLIP] + b->damaged[SIM_FLIP]));
    printf("     %llu syncs failed and left their pages clean\n", (unsigned long long)(d->forgotten + b->forgotten));
    printf("     damage: %llu lost something, %llu said so; %llu repairs, %llu left a clean store, %llu of them wrote; %llu collections\n",
           (unsigned long long)lost_runs, (unsigned long long)told_runs, (unsigned long long)repairs,
           (unsigned long long)clean_repairs, (unsigned long long)mended, (unsigned long long)collections);
    printf("     %llu objects had to be there after a repair\n", (unsigned long long)wanted_objects);
}
