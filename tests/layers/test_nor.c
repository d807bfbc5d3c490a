/* The store on NOR flash of layers/dx_nor.h, on a simulated flash with the rules of real ones and a power cut at every program
   and every erase; and the exchange of stores with dx_cas.h.
   cc -std=c11 -O2 tests/layers/test_nor.c -o build/test_nor */
#define DX_IMPLEMENTATION
#define DX_CAS_SMALL
#include "../../dx_cas.h"
#include "../../layers/dx_nor.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
enum { NOISES = 1, DOUBLE_RUNS = 400 };
#else
enum { NOISES = 2, DOUBLE_RUNS = 2000 };
#endif

/* >>flash --------------------------------------------------------------- */
enum { FLASH_MAX = 65536, BLOCKS_MAX = 32 };
typedef struct sim {
    uint8_t  bytes[FLASH_MAX], written[FLASH_MAX]; /* written: each unit, since its last erase */
    uint32_t erases[BLOCKS_MAX];
    uint32_t block, count, unit;
    long     operations, cut, fail; /* the one at which power fails, or that returns an error; 0 = never */
    uint64_t noise;
    bool     off, lenient; /* lenient: a torn unit that reads as erased may be programmed (RESUME) */
} sim;

static int sim_read(void *user, uint32_t offset, void *out, size_t size)
{
    sim *s = (sim *)user;
    if (s->off) return DX_CAS_ESYS;
    DX_CHECK(size > 0 && offset / s->block == (offset + size - 1) / s->block && offset + size <= s->block * s->count);
    memcpy(out, s->bytes + offset, size);
    return 0;
}

static bool erased(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) if (p[i] != 0xff) return false;
    return true;
}

static int sim_program(void *user, uint32_t offset, const void *data, size_t size)
{
    sim *s = (sim *)user;
    const uint8_t *from = (const uint8_t *)data;
    if (s->off) return DX_CAS_ESYS;
    DX_CHECK(size > 0 && offset % s->unit == 0 && size % s->unit == 0 && offset + size <= s->block * s->count);
    DX_CHECK(offset / s->block == (offset + size - 1) / s->block);
    s->operations++;
    if (s->operations == s->fail) return DX_CAS_ESYS;
    s->off = s->operations == s->cut;
    size_t torn = s->off ? dx_test_random(&s->noise) % (size / s->unit) * s->unit : size;
    for (size_t i = 0; i < size && i <= torn; i += s->unit) {
        uint8_t *to = s->bytes + offset + i, *flag = s->written + (offset + i) / s->unit;
        DX_CHECK(!*flag && erased(to, s->unit)); /* never twice */
        *flag = 1;
        if (i < torn) {
            memcpy(to, from + i, s->unit);
            continue;
        }
        unsigned how = dx_test_random(&s->noise) % 4; /* no bit, all of them, some; some of few */
        for (size_t k = 0; k < s->unit && how; k++) {
            uint8_t keep = how == 1 ? 0 : (uint8_t)dx_test_random(&s->noise);
            if (how == 3) keep |= (uint8_t)(dx_test_random(&s->noise) | dx_test_random(&s->noise));
            to[k] = (uint8_t)(from[i + k] | keep);
        }
        if (s->lenient && erased(to, s->unit)) *flag = 0;
    }
    return s->off ? DX_CAS_ESYS : 0;
}

/* After a torn erase, some bytes are unchanged, some erased, some in between. */
static int sim_erase(void *user, uint32_t offset)
{
    sim *s = (sim *)user;
    if (s->off) return DX_CAS_ESYS;
    DX_CHECK(offset % s->block == 0 && offset / s->block < s->count);
    s->operations++;
    if (s->operations == s->fail) return DX_CAS_ESYS;
    s->off = s->operations == s->cut;
    s->erases[offset / s->block]++;
    uint64_t how = dx_test_random(&s->noise) % 4, from = dx_test_random(&s->noise) % s->block;
    for (size_t i = 0; i < s->block; i++) {
        uint8_t *b = s->bytes + offset + i;
        if (s->off && (how == 0 || (how == 1 && i < from) || (how == 2 && i >= from))) continue;
        *b = s->off && how == 3 ? (uint8_t)(*b | dx_test_random(&s->noise)) : 0xff;
    }
    memset(s->written + offset / s->unit, s->off, s->block / s->unit);
    return s->off ? DX_CAS_ESYS : 0;
}

static void sim_start(sim *s, uint32_t block, uint32_t count, uint32_t unit)
{
    DX_CHECK(block * count <= FLASH_MAX && count <= BLOCKS_MAX);
    memset(s, 0, sizeof *s);
    s->block = block;
    s->count = count;
    s->unit = unit;
    memset(s->bytes, 0x5a, sizeof s->bytes); /* whatever was there */
    memset(s->written, 1, sizeof s->written);
}

static uint8_t work[DX_NOR_MEMORY_SIZE(256) + 3];

static int open_nor(dx_nor *n, sim *s, uint32_t mode)
{
    dx_nor_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.flash.read = sim_read;
    desc.flash.program = sim_program;
    desc.flash.erase = sim_erase;
    desc.flash.user = s;
    desc.flash.block_size = s->block;
    desc.flash.block_count = s->count;
    desc.flash.unit = s->unit;
    desc.mode = mode | (s->lenient ? DX_NOR_RESUME : 0);
    memset(work, 0xcc, sizeof work);
    desc.memory = work + 3;
    desc.memory_size = dx_nor_memory_size(s->unit);
    memcpy(desc.store_id, "0123456789abcdef", 16);
    desc.mode &= ~(uint32_t)DX_CAS_CREATE;
    int error = dx_nor_open(n, &desc);
    return error == DX_CAS_ENOTFOUND && (mode & DX_CAS_CREATE) ? dx_nor_create(n, &desc) : error;
}

/* >>model ---------------------------------------------------------------- */
enum { OBJECTS = 16, NAMES = 4, SIZE_MAX_ = 1500 };
static const char *const names[NAMES] = {"a", "boot/config", "\xe2\x82\xac", "a name that is not short at all"};

typedef struct state {
    uint32_t objects;       /* a bit per object that is certainly there */
    int      root[NAMES];   /* -1: not set */
    uint64_t version[NAMES];
} state;

typedef struct run {
    sim        flash;
    dx_nor nor;
    state      before, now, commit; /* before: committed; commit: in progress; now: with uncommitted changes */
    bool       making;
} run;

static uint32_t object_of(unsigned i, uint8_t *out)
{
    static const uint32_t sizes[OBJECTS] = {0, 1, 5, 64, 63, 200, 129, 1500, 300, 31, 777, 1024, 128, 2, 448, 96};
    uint64_t seed = i + 1;
    for (uint32_t k = 0; k < sizes[i]; k++) out[k] = (uint8_t)dx_test_random(&seed);
    return sizes[i];
}

static dx_cas_id id_of(unsigned i)
{
    uint8_t bytes[SIZE_MAX_];
    dx_cas_id id;
    uint32_t size = object_of(i, bytes);
    dx_cas_hash(bytes, size, &id);
    return id;
}

static void collected(state *s)
{
    s->objects = 0;
    for (int i = 0; i < NAMES; i++) {
        if (s->root[i] >= 0) s->objects |= 1u << s->root[i];
        else s->version[i] = 0;
    }
}

static int settle(run *r, int error)
{
    if (error == DX_CAS_OK) r->before = r->now = r->commit;
    if (error == DX_CAS_OK) r->making = false;
    return error;
}

static int step_put(run *r, unsigned i)
{
    uint8_t bytes[SIZE_MAX_];
    dx_cas_id id, want = id_of(i);
    int error = dx_nor_put(&r->nor, bytes, object_of(i, bytes), &id);
    if (error) return error;
    DX_CHECK(dx_cas_id_equal(&id, &want));
    r->now.objects |= 1u << i;
    return 0;
}

static int step_set(run *r, unsigned name, unsigned i)
{
    dx_nor_ref ref;
    memset(&ref, 0, sizeof ref);
    ref.root = id_of(i);
    ref.kind = 7 + i;
    ref.time_ns = 1000 * i;
    int error = dx_nor_ref_set(&r->nor, names[name], &ref);
    if (error) return error;
    r->now.root[name] = (int)i;
    r->now.version[name]++;
    return 0;
}

static int step_delete(run *r, unsigned name)
{
    int error = dx_nor_ref_delete(&r->nor, names[name]);
    DX_CHECK(error != DX_CAS_ENOTFOUND || r->now.root[name] < 0);
    if (error == DX_CAS_OK) r->now.root[name] = -1;
    return error == DX_CAS_ENOTFOUND ? 0 : error;
}

static int step_commit(run *r)
{
    r->commit = r->now;
    r->making = true;
    return settle(r, dx_nor_commit(&r->nor));
}

static int step_collect(run *r)
{
    if (step_commit(r)) return -1;
    r->commit = r->now;
    collected(&r->commit);
    r->making = true;
    return settle(r, dx_nor_collect(&r->nor));
}

static void begin_run(run *r, uint32_t block, uint32_t count, uint32_t unit)
{
    memset(r, 0, sizeof *r);
    sim_start(&r->flash, block, count, unit);
    for (int i = 0; i < NAMES; i++) r->before.root[i] = -1;
    r->now = r->commit = r->before;
}

/* Does the store hold this state? */
static bool holds(dx_nor *n, const state *s)
{
    uint8_t want[SIZE_MAX_], got[SIZE_MAX_];
    for (unsigned i = 0; i < NAMES; i++) {
        dx_nor_ref ref;
        int error = dx_nor_ref_get(n, names[i], &ref);
        if (s->root[i] < 0) {
            if (error != DX_CAS_ENOTFOUND) return false;
            continue;
        }
        dx_cas_id id = id_of((unsigned)s->root[i]);
        if (error || ref.version != s->version[i] || !dx_cas_id_equal(&ref.root, &id)) return false;
        DX_CHECK_EQ(ref.kind, 7 + s->root[i]);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        uint32_t size = object_of(i, want), have = 0;
        dx_cas_id id = id_of(i);
        int error = dx_nor_get(n, &id, got, sizeof got, &have);
        if (!(s->objects >> i & 1)) {
            if (error != DX_CAS_ENOTFOUND) return false;
            continue;
        }
        if (error || have != size || memcmp(want, got, size) != 0) return false;
    }
    return true;
}

/* A power cut between two copies: of the first block's header, or of the last commit. The next write repairs the latter. */
static int only_copies(void *user, const dx_cas_damage *d)
{
    const dx_nor *n = (const dx_nor *)user;
    if (d->kind == DX_CAS_DAMAGE_COMMIT) return !n || d->offset != n->log_.commit;
    return d->kind != DX_CAS_DAMAGE_HEADER || d->size != 32 || d->offset != 0;
}

/* dx_cas.h reads the flash through the device, and verifies it without damage. */
static void host_reads(dx_nor *n, const state *s)
{
    static uint8_t memory[1 << 17];
    uint8_t want[SIZE_MAX_], got[SIZE_MAX_];
    dx_cas_store store;
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = dx_nor_device(n);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_cas_open(&store, &desc), 0);
    DX_CHECK_EQ(dx_cas_verify(&store, NULL, NULL, NULL), 0);
    for (unsigned i = 0; i < NAMES; i++) {
        dx_cas_ref ref;
        int error = dx_cas_ref_get(&store, names[i], 0, &ref);
        DX_CHECK_EQ(error, s->root[i] < 0 ? DX_CAS_ENOTFOUND : 0);
        if (!error) DX_CHECK(ref.version == s->version[i] && dx_cas_ref_previous(&store, &ref) == DX_CAS_ENOTFOUND);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        dx_cas_id id = id_of(i);
        size_t size = 0;
        int error = dx_cas_get(&store, &id, got, sizeof got, &size);
        DX_CHECK_EQ(error, s->objects >> i & 1 ? 0 : DX_CAS_ENOTFOUND);
        if (!error) DX_CHECK(size == object_of(i, want) && memcmp(want, got, size) == 0);
    }
    dx_cas_close(&store);
}

/* Power returns: the store holds the committed state, or the commit in progress. */
static void recovered(run *r)
{
    r->flash.off = false;
    r->flash.cut = r->flash.fail = 0;
    int error = open_nor(&r->nor, &r->flash, DX_CAS_READ);
    if (error == DX_CAS_ENOTFOUND && r->before.version[0] == 0 && !r->before.objects) { /* not created yet */
        DX_CHECK_EQ(open_nor(&r->nor, &r->flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    } else {
        DX_CHECK_EQ(error, 0);
    }
    if (r->making && holds(&r->nor, &r->commit)) r->before = r->commit;
    DX_CHECK(holds(&r->nor, &r->before));
    r->now = r->before;
    r->making = false;
    error = dx_nor_verify(&r->nor, only_copies, &r->nor, NULL);
    DX_CHECK(error == 0 || error == DX_CAS_ECORRUPT);
}

/* >>script ----------------------------------------------------------------- */
/* Uses every operation; ends at the first error. */
static int script(run *r)
{
    int error = open_nor(&r->nor, &r->flash, DX_CAS_WRITE | DX_CAS_CREATE);
    if (error) return error;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++) {
            unsigned object = (round * 5 + i) % OBJECTS;
            if ((error = step_put(r, object)) != 0) return error;
            if (i != 3 && (error = step_set(r, i % NAMES, object)) != 0) return error;
            if (i % 2 && (error = step_commit(r)) != 0) return error;
        }
        if ((error = step_delete(r, round)) != 0) return error;
        if (round && (error = step_collect(r)) != 0) return error;
        if (round == 1) error = open_nor(&r->nor, &r->flash, DX_CAS_WRITE);
        if (error) return error;
    }
    return step_commit(r);
}

static const struct { uint32_t unit, block, count; } shapes[] = {
    {1, 1024, 18}, {2, 1024, 18}, {4, 1024, 18}, {8, 1024, 18}, {16, 1024, 18}, {256, 2048, 16}};

/* After any power cut: the committed state; then the whole script runs on the remaining flash. */
static void every_cut(unsigned shape, bool lenient)
{
    long cuts = 0, last = 0;
    for (unsigned noise = 0; noise < NOISES; noise++) {
        for (long cut = 1;; cut++) {
            static run r;
            begin_run(&r, shapes[shape].block, shapes[shape].count, shapes[shape].unit);
            r.flash.lenient = lenient;
            r.flash.cut = cut;
            r.flash.noise = (uint64_t)cut * 10 + noise;
            int error = script(&r);
            if (!r.flash.off) {
                DX_CHECK_EQ(error, 0);
                last = r.flash.operations;
                break;
            }
            recovered(&r);
            cuts++;
            if (cut % 3 == 0) { /* it can be used at once, and by dx_cas.h */
                DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE), 0);
                DX_CHECK_EQ(step_put(&r, 15), 0);
                DX_CHECK_EQ(step_set(&r, 3, 15), 0);
                DX_CHECK_EQ(step_commit(&r), 0);
                host_reads(&r.nor, &r.before);
                DX_CHECK_EQ(step_collect(&r), 0);
                DX_CHECK(holds(&r.nor, &r.before));
                DX_CHECK_EQ(dx_nor_verify(&r.nor, NULL, NULL, NULL), 0);
            }
        }
    }
    printf("  unit %u%s: power cut at each of %ld programs and erases, %ld runs\n", shapes[shape].unit,
           lenient ? ", resumed" : "", last, cuts);
}

DX_TEST(nor_every_cut_unit_1) { every_cut(0, false); }
DX_TEST(nor_every_cut_unit_2) { every_cut(1, false); }
DX_TEST(nor_every_cut_unit_4) { every_cut(2, false); }
DX_TEST(nor_every_cut_unit_8) { every_cut(3, false); }
DX_TEST(nor_every_cut_unit_16) { every_cut(4, false); }
DX_TEST(nor_every_cut_unit_256) { every_cut(5, false); }
DX_TEST(nor_every_cut_resumed)
{
    every_cut(0, true);
    every_cut(3, true);
    every_cut(5, true);
}

/* Repeated power cuts, also during recovery, each followed by the script: seeded. */
DX_TEST(nor_many_cuts)
{
    unsigned long cuts = 0, made = 0;
    for (unsigned i = 0; i < DOUBLE_RUNS / 20; i++) {
        static run r;
        unsigned shape = i % 6;
        uint64_t seed = i;
        begin_run(&r, shapes[shape].block, shapes[shape].count, shapes[shape].unit);
        r.flash.lenient = i / 6 % 2;
        for (unsigned k = 0; k < 20; k++) {
            r.flash.operations = 0;
            r.flash.cut = 1 + (long)(dx_test_random(&seed) % 90);
            r.flash.noise = seed;
            unsigned what = dx_test_random(&seed) % 4;
            int error = open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE);
            for (unsigned j = 0; !error && j < 8; j++) {
                error = step_put(&r, (unsigned)(dx_test_random(&seed) % OBJECTS));
                if (!error && what == 1) error = step_collect(&r);
                for (unsigned o = 0; !error && o < OBJECTS && (dx_test_random(&seed) & 1); o++) {
                    if (r.now.objects >> o & 1) error = step_set(&r, (unsigned)(dx_test_random(&seed) % NAMES), o);
                }
                if (!error && what > 1 && dx_test_random(&seed) % 4 == 0) error = step_delete(&r, (unsigned)(dx_test_random(&seed) % NAMES));
                if (!error) error = step_commit(&r);
                if (error == DX_CAS_ENOSPACE) error = step_collect(&r); /* a collection always has room */
                if (!error) r.now = r.before;
                made += !error;
            }
            DX_CHECK(r.flash.off == (error != 0));
            cuts += r.flash.off;
            recovered(&r);
        }
    }
    printf("  %lu cuts one after the other, %lu commits between\n", cuts, made);
    DX_CHECK(cuts > DOUBLE_RUNS / 2 && made > DOUBLE_RUNS);
}

/* A program or an erase fails while power stays on: the error is returned, nothing is lost, and reopening recovers. */
DX_TEST(nor_every_failure)
{
    long last = 0;
    for (long fail = 1; !last; fail++) {
        static run r;
        begin_run(&r, 1024, 18, 8);
        r.flash.fail = fail;
        r.flash.lenient = true; /* the failed call programmed nothing */
        int error = script(&r);
        if (r.flash.operations < fail) last = fail;
        DX_CHECK_EQ(error, last ? 0 : error);
        if (last) break;
        DX_CHECK(error != 0);
        if (r.nor.open_ && r.nor.failed_) {
            dx_cas_id id = id_of(0);
            DX_CHECK_EQ(dx_nor_put(&r.nor, "x", 1, &id), DX_CAS_ESYS);
            DX_CHECK_EQ(dx_nor_commit(&r.nor), DX_CAS_ESYS);
            DX_CHECK_EQ(dx_nor_collect(&r.nor), DX_CAS_ESYS);
        }
        r.flash.lenient = false;
        recovered(&r);
        DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE), 0);
        DX_CHECK_EQ(step_put(&r, 14), 0);
        DX_CHECK_EQ(step_set(&r, 0, 14), 0);
        DX_CHECK_EQ(step_commit(&r), 0);
        host_reads(&r.nor, &r.before);
    }
}

/* >>room and wear --------------------------------------------------------- */
static int put_number(dx_nor *n, unsigned number, uint32_t size, dx_cas_id *id)
{
    uint8_t bytes[SIZE_MAX_];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &number, sizeof number);
    return dx_nor_put(n, bytes, size, id);
}

/* A full store always accepts deletions and collections. */
DX_TEST(nor_full)
{
    static sim s;
    dx_nor n;
    dx_nor_ref ref;
    unsigned number = 0, cycles;
    sim_start(&s, 1024, 16, 4);
    DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    memset(&ref, 0, sizeof ref);
    for (cycles = 0; cycles < 40; cycles++) {
        char name[16];
        unsigned first = number, kept;
        int error = 0;
        for (;; number++) {
            uint32_t size = 4 + (number * 97) % 700;
            snprintf(name, sizeof name, "n%u", number);
            if ((error = put_number(&n, number, size, &ref.root)) != 0) break;
            if ((error = dx_nor_ref_set(&n, name, &ref)) != 0) break;
        }
        DX_CHECK_EQ(error, DX_CAS_ENOSPACE);
        DX_CHECK(number - first >= 1);
        DX_CHECK_EQ(dx_nor_commit(&n), 0);
        for (kept = 0; first < number; first++) { /* delete some, each in its own commit after a reopen: no ENOSPACE before a few */
            if (number - first <= 2 && cycles % 2) break;
            snprintf(name, sizeof name, "n%u", first);
            error = dx_nor_ref_delete(&n, name);
            if (error == DX_CAS_ENOSPACE) DX_CHECK(kept >= 3);
            if (error == DX_CAS_ENOSPACE) break;
            DX_CHECK_EQ(error, 0);
            DX_CHECK_EQ(dx_nor_commit(&n), 0);
            kept++;
        }
        DX_CHECK_EQ(dx_nor_collect(&n), 0);
        for (; first < number; first++) { /* and the rest after a collection */
            snprintf(name, sizeof name, "n%u", first);
            DX_CHECK_EQ(dx_nor_ref_delete(&n, name), 0);
            DX_CHECK_EQ(dx_nor_commit(&n), 0);
            if (first % 4 == 3) DX_CHECK_EQ(dx_nor_collect(&n), 0);
        }
        DX_CHECK_EQ(dx_nor_verify(&n, NULL, NULL, NULL), 0);
        DX_CHECK_EQ(dx_nor_collect(&n), 0);
    }
}

/* Names set again and again, collected when full: erases are spread evenly over the blocks. */
DX_TEST(nor_wear)
{
    static sim s;
    dx_nor n;
    dx_nor_stats stats;
    dx_nor_ref ref;
    uint32_t least = UINT32_MAX, most = 0, sum = 0, collections = 0;
    sim_start(&s, 1024, 16, 8);
    DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    memset(&ref, 0, sizeof ref);
    for (unsigned i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i % 7);
        int error = put_number(&n, i, 40, &ref.root);
        if (!error) error = dx_nor_ref_set(&n, name, &ref);
        if (!error) error = dx_nor_commit(&n);
        if (error == DX_CAS_ENOSPACE) error = dx_nor_collect(&n), collections++;
        DX_CHECK_EQ(error, 0);
        if (i % 500 == 499) DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE), 0); /* the first write starts a new block */
    }
    for (unsigned i = 0; i < s.count; i++) {
        sum += s.erases[i];
        if (s.erases[i] > most) most = s.erases[i];
        if (s.erases[i] < least) least = s.erases[i];
    }
    DX_CHECK_EQ(dx_nor_get_stats(&n, &stats), 0);
    printf("  %u collections: erased %u to %u times, mean %.2f; the store says at most %u, mean %.2f\n", collections, least, most,
           sum / (double)s.count, stats.erases_max, stats.erases_mean / 100.0);
    DX_CHECK(most - least <= 1 && stats.erases_max == most && stats.blocks == 16 && collections > 50);
    DX_CHECK_EQ(stats.erases_mean, sum * 100 / s.count);
    DX_CHECK(stats.commits > 0 && stats.generation == collections + 1 && stats.damaged_places == 0);
}

/* >>both ways -------------------------------------------------------------- */
static int mem_source(void *user, uint32_t offset, void *out, size_t size)
{
    memcpy(out, (const uint8_t *)user + offset, size);
    return 0;
}

/* A host's store, with versions, deleted names and chunked content, is copied into the flash and usable there. */
static void import(uint32_t unit, uint32_t align, uint32_t durability)
{
    static uint8_t disk[32768], memory[200000], bytes[5000], back[5000], chunk[400000];
    static sim s;
    dx_devices_memory ram = {disk, sizeof disk, 0};
    dx_cas_desc desc;
    dx_cas_store host;
    dx_cas_stats stats;
    dx_cas_ref ref;
    dx_cas_writer_desc wd;
    dx_cas_writer w;
    dx_cas_content content;
    dx_cas_reader reader;
    dx_nor n;
    dx_nor_ref got;
    uint64_t seed = 5;
    uint32_t size = 0;
    size_t read = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)dx_test_random(&seed);
    memset(&desc, 0, sizeof desc);
    memset(&ref, 0, sizeof ref);
    desc.device = dx_devices_memory_device(&ram);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.align = align;
    desc.durability = durability;
    desc.preallocate = 1024;
    DX_CHECK_EQ(dx_cas_open(&host, &desc), 0);
    memset(&wd, 0, sizeof wd);
    wd.store = &host;
    wd.memory = chunk;
    wd.memory_size = sizeof chunk;
    wd.chunker.size_avg = 512;
    wd.chunker.mode = DX_CAS_CHUNK_FIXED;
    DX_CHECK_EQ(dx_cas_writer_begin(&w, &wd), 0);
    DX_CHECK_EQ(dx_cas_writer_write(&w, bytes, sizeof bytes, NULL), 0);
    DX_CHECK_EQ(dx_cas_writer_finish(&w, &content), 0);
    strcpy(ref.name, "tree");
    ref.root = content.root;
    ref.content = content.content;
    ref.size = content.size;
    DX_CHECK_EQ(dx_cas_ref_set(&host, &ref, 0, NULL), 0);
    for (unsigned v = 0; v < 3; v++) {
        DX_CHECK_EQ(dx_cas_put(&host, bytes + v, 100 + v, &ref.root), 0);
        strcpy(ref.name, "config");
        ref.kind = v;
        memcpy(ref.info, "info", 4);
        ref.info_size = 4;
        DX_CHECK_EQ(dx_cas_ref_set(&host, &ref, v, NULL), 0);
        strcpy(ref.name, "gone");
        DX_CHECK_EQ(dx_cas_ref_set(&host, &ref, DX_CAS_ANY_VERSION, NULL), 0);
        DX_CHECK_EQ(dx_cas_commit(&host), 0);
    }
    DX_CHECK_EQ(dx_cas_ref_delete(&host, "gone", 3), 0);
    DX_CHECK_EQ(dx_cas_ref_trim(&host, "config", 2), 0);
    DX_CHECK_EQ(dx_cas_commit(&host), 0);
    dx_cas_get_stats(&host, &stats);
    dx_cas_close(&host);

    sim_start(&s, 2048, 32, unit);
    DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(dx_nor_import(&n, &desc.device, (uint32_t)stats.device_bytes - align), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_nor_ref_get(&n, "config", &got), DX_CAS_ENOTFOUND); /* still the old store */
    DX_CHECK_EQ(dx_nor_import(&n, &desc.device, (uint32_t)stats.device_bytes), 0);
    for (unsigned round = 0; round < 5; round++) {
        DX_CHECK_EQ(dx_nor_ref_get(&n, "config", &got), 0);
        DX_CHECK(got.version == 3 && got.kind == 2);
        DX_CHECK_EQ(dx_nor_ref_get(&n, "gone", &got), DX_CAS_ENOTFOUND);
        DX_CHECK_EQ(dx_nor_ref_get(&n, "tree", &got), 0);
        DX_CHECK(got.size == sizeof bytes && dx_cas_id_equal(&got.root, &content.root));
        DX_CHECK_EQ(dx_nor_ref_get(&n, "config", &got), 0);
        DX_CHECK_EQ(dx_nor_get(&n, &got.root, back, sizeof back, &size), 0);
        DX_CHECK(size == 102 && memcmp(back, bytes + 2, 102) == 0);
        DX_CHECK_EQ(dx_nor_verify(&n, NULL, NULL, NULL), 0);
        desc.device = dx_nor_device(&n);
        desc.mode = DX_CAS_READ;
        DX_CHECK_EQ(dx_cas_open(&host, &desc), 0);
        DX_CHECK_EQ(dx_cas_verify(&host, NULL, NULL, NULL), 0);
        DX_CHECK_EQ(dx_cas_reader_open(&reader, &host, &content.root, chunk, sizeof chunk), 0);
        DX_CHECK_EQ(dx_cas_reader_read(&reader, 0, back, sizeof back, &read), 0);
        DX_CHECK(read == sizeof bytes && memcmp(back, bytes, read) == 0);
        dx_cas_close(&host);
        if (round == 0) DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_READ), 0);
        if (round == 1) DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE), 0);
        if (round == 1) DX_CHECK_EQ(dx_nor_put(&n, "more", 4, NULL), align < unit ? DX_CAS_EREADONLY : 0);
        if (round == 2) DX_CHECK_EQ(dx_nor_collect(&n), 0);
        if (round == 3) DX_CHECK_EQ(dx_nor_put(&n, "more", 4, NULL), 0);
        if (round == 3) DX_CHECK_EQ(dx_nor_commit(&n), 0);
    }
    memset(&got, 0, sizeof got);
    got.root = content.root; /* a list node has no name here */
    DX_CHECK_EQ(dx_nor_ref_set(&n, "x", &got), DX_CAS_EINVAL);
}

DX_TEST(nor_import)
{
    import(1, 8, DX_CAS_FULL);
    import(8, 8, DX_CAS_FULL_ONCE);
    import(8, 64, DX_CAS_NONE);
    import(256, 256, DX_CAS_FULL);
    import(256, 8, DX_CAS_FULL);
    import(16, 512, DX_CAS_FULL_ONCE);
}

static int as_delta(void *user, void *out, size_t capacity, const void *in, size_t n, size_t *got)
{
    (void)in;
    if (n < 100 || capacity < 40) return DX_CAS_ENOSPACE;
    memset(out, 0, 40);
    memcpy(out, user, 32); /* the base */
    *got = 40;
    return 0;
}

static int no_delta(void *user, void *out, size_t capacity, const void *in, size_t n, size_t *got)
{
    (void)user, (void)out, (void)capacity, (void)in, (void)n, (void)got;
    return DX_CAS_ENOTSUP;
}

/* Collection keeps the bases of deltas, recursively. */
DX_TEST(nor_keeps_bases)
{
    static uint8_t disk[8192], memory[200000], bytes[400];
    static sim s;
    dx_devices_memory ram = {disk, sizeof disk, 0};
    dx_cas_desc desc;
    dx_cas_store host;
    dx_cas_stats stats;
    dx_cas_ref ref;
    dx_cas_id ids[4], base;
    dx_cas_codec codec;
    dx_nor n;
    uint32_t size;
    memset(&codec, 0, sizeof codec);
    codec.number = 2;
    codec.compress = as_delta;
    codec.decompress = no_delta;
    codec.user = &base;
    memset(&desc, 0, sizeof desc);
    memset(&ref, 0, sizeof ref);
    desc.device = dx_devices_memory_device(&ram);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.object_size_max = 1024;
    desc.codecs = &codec;
    desc.codec_count = 1;
    DX_CHECK_EQ(dx_cas_open(&host, &desc), 0);
    DX_CHECK_EQ(dx_cas_put(&host, "other", 5, &ids[3]), 0);
    DX_CHECK_EQ(dx_cas_put(&host, "base", 4, &ids[0]), 0);
    for (unsigned i = 1; i < 3; i++) {
        base = ids[i - 1];
        bytes[0] = (uint8_t)i;
        DX_CHECK_EQ(dx_cas_put(&host, bytes, sizeof bytes, &ids[i]), 0);
    }
    strcpy(ref.name, "x");
    ref.root = ids[2];
    DX_CHECK_EQ(dx_cas_ref_set(&host, &ref, 0, NULL), 0);
    DX_CHECK_EQ(dx_cas_commit(&host), 0);
    dx_cas_get_stats(&host, &stats);
    sim_start(&s, 1024, 16, 8);
    DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(dx_nor_import(&n, &desc.device, (uint32_t)stats.device_bytes), 0);
    DX_CHECK_EQ(dx_nor_collect(&n), 0);
    for (unsigned i = 0; i < 4; i++) DX_CHECK_EQ(dx_nor_size(&n, &ids[i], &size), i < 3 ? 0 : DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(size, 400);
    DX_CHECK_EQ(dx_nor_get(&n, &ids[2], bytes, sizeof bytes, &size), DX_CAS_ENOTSUP);
    DX_CHECK_EQ(dx_nor_verify(&n, NULL, NULL, NULL), DX_CAS_ECORRUPT); /* two that it cannot check */
}

/* An import from dx_cas.h arrives in full or not at all, at every power cut. */
DX_TEST(nor_import_every_cut)
{
    static uint8_t disk[8192], memory[65536];
    dx_devices_memory ram = {disk, sizeof disk, 0};
    dx_cas_desc desc;
    dx_cas_store host;
    dx_cas_stats stats;
    dx_cas_id id;
    memset(&desc, 0, sizeof desc);
    desc.device = dx_devices_memory_device(&ram);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_cas_open(&host, &desc), 0);
    for (unsigned i = 0; i < 20; i++) {
        DX_CHECK_EQ(dx_cas_put(&host, disk, 100 + i, &id), 0);
        DX_CHECK_EQ(dx_cas_commit(&host), 0);
    }
    dx_cas_get_stats(&host, &stats);
    for (long cut = 1, done = 0; !done; cut++) {
        static run r;
        begin_run(&r, 1024, 16, 8);
        DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
        DX_CHECK_EQ(step_put(&r, 3), 0);
        DX_CHECK_EQ(step_commit(&r), 0);
        r.flash.operations = 0;
        r.flash.cut = cut;
        r.flash.noise = (uint64_t)cut;
        done = dx_nor_import(&r.nor, &desc.device, (uint32_t)stats.device_bytes) == 0;
        DX_CHECK(done == !r.flash.off);
        r.flash.off = false;
        r.flash.cut = 0;
        DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_READ), 0);
        uint32_t size;
        if (dx_nor_size(&r.nor, &id, &size) == 0) DX_CHECK(size == 119 && r.nor.log_.sequence == 20);
        else DX_CHECK(holds(&r.nor, &r.before) && !done);
    }
}

/* If align exceeds a block, a commit is complete before its padding: the log does not continue after the block. */
DX_TEST(nor_import_resumes_with_padding_over_blocks)
{
    static uint8_t disk[16384], memory[65536];
    static sim s;
    dx_devices_memory ram = {disk, sizeof disk, 0};
    dx_cas_desc desc;
    dx_cas_store host;
    dx_cas_stats stats;
    dx_cas_id first, second, third;
    uint32_t size;
    dx_nor n;
    memset(&desc, 0, sizeof desc);
    desc.device = dx_devices_memory_device(&ram);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.align = 1024;
    DX_CHECK_EQ(dx_cas_open(&host, &desc), 0);
    DX_CHECK_EQ(dx_cas_put(&host, "first", 5, &first), 0);
    DX_CHECK_EQ(dx_cas_commit(&host), 0);
    dx_cas_get_stats(&host, &stats);
    for (long cut = 1, done = 0; !done; cut++) {
        sim_start(&s, 1024, 32, 64);
        s.lenient = true;
        DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE | DX_CAS_CREATE), 0);
        DX_CHECK_EQ(dx_nor_import(&n, &desc.device, (uint32_t)stats.device_bytes), 0);
        s.operations = 0;
        s.cut = cut;
        s.noise = (uint64_t)cut;
        done = dx_nor_put(&n, "second", 6, &second) == 0 && dx_nor_commit(&n) == 0;
        s.off = false;
        s.cut = 0;
        DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_WRITE), 0);
        DX_CHECK_EQ(dx_nor_put(&n, "third", 5, &third), 0);
        DX_CHECK_EQ(dx_nor_commit(&n), 0);
        DX_CHECK_EQ(open_nor(&n, &s, DX_CAS_READ), 0);
        DX_CHECK_EQ(dx_nor_size(&n, &first, &size), 0);
        DX_CHECK_EQ(dx_nor_size(&n, &third, &size), 0);
        DX_CHECK_EQ(dx_nor_verify(&n, NULL, NULL, NULL), 0);
    }
}

/* >>damage ------------------------------------------------------------------ */
static int count_damage(void *user, const dx_cas_damage *d)
{
    ((dx_cas_damage *)user)[0] = *d;
    return 0;
}

/* Every changed byte of the log is found, by open or verify, and no wrong data is ever returned. */
static void every_byte(uint32_t unit)
{
    static run r;
    static sim whole;
    uint8_t want[SIZE_MAX_], got[SIZE_MAX_];
    unsigned opened = 0, refused = 0;
    begin_run(&r, 1024, 20, unit);
    DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    static const unsigned some[] = {1, 5, 10, 0};
    for (unsigned i = 0; i < 4; i++) {
        DX_CHECK_EQ(step_put(&r, some[i]), 0);
        DX_CHECK_EQ(step_set(&r, i % 2, some[i]), 0);
        DX_CHECK_EQ(step_commit(&r), 0);
    }
    whole = r.flash;
    dx_nor_log_ log = r.nor.log_;
    uint32_t capacity = whole.block - r.nor.head_size_;
    for (uint32_t b = 0; b < log.blocks; b++) {
        for (uint32_t i = 0; i < whole.block; i++) {
            if (b * capacity + (i - r.nor.head_size_) >= log.end && i >= r.nor.head_size_) break;
            dx_cas_damage damage;
            dx_cas_report report;
            uint32_t size;
            r.flash.bytes[b * whole.block + i] ^= (uint8_t)(1u << i % 8);
            memset(&damage, 0, sizeof damage);
            int error = open_nor(&r.nor, &r.flash, DX_CAS_READ);
            bool older = error == 0 && r.nor.log_.sequence < log.sequence; /* as with a power cut before it, docs/formats/nor.md */
            if (error) {
                DX_CHECK_EQ(error, DX_CAS_ECORRUPT);
                refused++;
                error = open_nor(&r.nor, &r.flash, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
            }
            DX_CHECK(!older);
            if (error == 0) {
                opened++;
                DX_CHECK_EQ(dx_nor_verify(&r.nor, count_damage, &damage, &report), DX_CAS_ECORRUPT);
                DX_CHECK(report.damaged > 0 && damage.kind != 0);
                for (unsigned k = 0; k < 4; k++) {
                    dx_cas_id id = id_of(some[k]);
                    size = 0;
                    error = dx_nor_get(&r.nor, &id, got, sizeof got, &size);
                    if (error == 0) DX_CHECK(size == object_of(some[k], want) && memcmp(got, want, size) == 0);
                    else DX_CHECK(error == DX_CAS_ECORRUPT || error == DX_CAS_ENOTFOUND);
                    if (error == DX_CAS_ECORRUPT) DX_CHECK(dx_cas_id_equal(&damage.id, &id) && damage.kind == DX_CAS_DAMAGE_OBJECT);
                }
            }
            r.flash.bytes[b * whole.block + i] = whole.bytes[b * whole.block + i];
        }
    }
    printf("  unit %u: %u flipped bits, %u of them refused by open\n", unit, opened, refused);
}

DX_TEST(nor_every_byte)
{
    every_byte(4);
    every_byte(256);
}

/* Putting a damaged object again heals it; a damaged name is reported, and collection continues once that is accepted. */
DX_TEST(nor_heals)
{
    static run r;
    dx_nor_ref ref;
    uint8_t bytes[SIZE_MAX_];
    dx_cas_report report;
    uint32_t size;
    begin_run(&r, 1024, 16, 8);
    DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(step_put(&r, 5), 0);
    uint32_t object = r.nor.log_.end - 40; /* 200 bytes */
    DX_CHECK_EQ(step_set(&r, 0, 5), 0);
    uint32_t name = r.nor.log_.end - 60; /* in the ref record */
    DX_CHECK_EQ(step_put(&r, 6), 0);
    DX_CHECK_EQ(step_set(&r, 0, 6), 0);
    uint32_t latest = r.nor.log_.end - 60;
    DX_CHECK_EQ(step_set(&r, 1, 5), 0);
    DX_CHECK_EQ(step_commit(&r), 0);
    DX_CHECK(r.nor.log_.blocks == 2);
    r.flash.bytes[64 + object] ^= 4;
    DX_CHECK_EQ(dx_nor_get(&r.nor, &(dx_cas_id){{0}}, bytes, sizeof bytes, &size), DX_CAS_ENOTFOUND);
    dx_cas_id id = id_of(5);
    memset(bytes, 1, sizeof bytes);
    DX_CHECK_EQ(dx_nor_get(&r.nor, &id, bytes, sizeof bytes, &size), DX_CAS_ECORRUPT);
    DX_CHECK(bytes[0] == 0 && bytes[199] == 0);
    DX_CHECK_EQ(step_put(&r, 5), 0);
    DX_CHECK_EQ(step_commit(&r), 0);
    DX_CHECK(holds(&r.nor, &r.before));
    DX_CHECK_EQ(dx_nor_verify(&r.nor, NULL, NULL, &report), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(report.damaged, 1);
    DX_CHECK_EQ(step_collect(&r), 0);
    DX_CHECK_EQ(dx_nor_verify(&r.nor, NULL, NULL, &report), 0); /* the damaged copy was not collected */
    DX_CHECK(report.objects == 2 && report.refs == 2 && report.commits == 1 && report.tail_bytes == 0);
    host_reads(&r.nor, &r.before);
    (void)name, (void)latest;

    begin_run(&r, 1024, 16, 8);
    DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(step_put(&r, 5), 0);
    DX_CHECK_EQ(step_put(&r, 1), 0);
    DX_CHECK_EQ(step_set(&r, 0, 5), 0);
    DX_CHECK_EQ(step_set(&r, 1, 5), 0);
    DX_CHECK_EQ(step_set(&r, 0, 1), 0);
    latest = r.nor.log_.end - 60;
    DX_CHECK_EQ(step_commit(&r), 0);
    r.flash.bytes[latest < 960 ? 64 + latest : 128 + latest] ^= 1;
    DX_CHECK_EQ(dx_nor_ref_get(&r.nor, names[0], &ref), DX_CAS_ECORRUPT);
    DX_CHECK(ref.version == 1 && dx_cas_id_equal(&ref.root, &id)); /* the last intact one */
    DX_CHECK_EQ(dx_nor_ref_get(&r.nor, names[1], &ref), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(ref.version, 1);
    DX_CHECK_EQ(step_set(&r, 0, 1), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_nor_collect(&r.nor), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(open_nor(&r.nor, &r.flash, DX_CAS_WRITE | DX_CAS_ACCEPT_DAMAGE), 0);
    DX_CHECK_EQ(dx_nor_collect(&r.nor), 0);
    DX_CHECK_EQ(dx_nor_verify(&r.nor, NULL, NULL, &report), 0);
    DX_CHECK(report.refs == 2);
    DX_CHECK_EQ(dx_nor_ref_get(&r.nor, names[0], &ref), 0);
    DX_CHECK(ref.version == 1 && dx_cas_id_equal(&ref.root, &id));
}

/* Write both copies of a block header, with valid CRCs. */
static void forge_block(sim *s, uint32_t block, uint32_t generation, uint32_t ordinal, uint32_t start)
{
    for (uint32_t copy = 0; copy < 2; copy++) {
        uint32_t at = block * s->block + copy * DX_NOR_P_COPY;
        uint8_t *p = s->bytes + at;
        dx_nor_p_store32(p, DX_NOR_P_MAGIC);
        dx_nor_p_store32(p + 4, 1);
        dx_nor_p_store32(p + 8, generation);
        dx_nor_p_store32(p + 12, ordinal);
        dx_nor_p_store32(p + 16, start);
        dx_nor_p_store32(p + 20, 1);
        dx_nor_p_store32(p + 24, s->block);
        dx_nor_p_store32(p + 28, dx_nor_p_crc(at, p));
    }
}

/* A block claims the highest generation number: no other can follow, and the existing store keeps its content and accepts
   more. */
DX_TEST(nor_generations_end)
{
    static run r;
    dx_nor *n = &r.nor;
    dx_nor_stats stats;
    begin_run(&r, 1024, 16, 8);
    forge_block(&r.flash, 9, UINT32_MAX, 5, 7000);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), DX_NOR_ETOOBIG);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE), DX_NOR_ENOTFOUND);

    begin_run(&r, 1024, 16, 8);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(step_put(&r, 5), 0);
    DX_CHECK_EQ(step_set(&r, 0, 5), 0);
    DX_CHECK_EQ(step_commit(&r), 0);
    forge_block(&r.flash, 9, UINT32_MAX - 1, 5, 7000);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE), 0);
    DX_CHECK_EQ(step_collect(&r), 0);
    DX_CHECK_EQ(dx_nor_get_stats(n, &stats), 0);
    DX_CHECK_EQ(stats.generation, UINT32_MAX);
    for (unsigned i = 0; i < 2; i++) {
        dx_cas_device device = dx_nor_device(n);
        DX_CHECK_EQ(step_put(&r, 6 + i), 0);
        DX_CHECK_EQ(step_set(&r, 1, 6 + i), 0);
        DX_CHECK_EQ(step_commit(&r), 0);
        DX_CHECK_EQ(dx_nor_collect(n), DX_NOR_ETOOBIG);
        DX_CHECK_EQ(dx_nor_import(n, &device, n->log_.committed), DX_NOR_ETOOBIG);
        DX_CHECK(holds(n, &r.before));
        DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE), 0);
        DX_CHECK(holds(n, &r.before));
        DX_CHECK_EQ(dx_nor_verify(n, NULL, NULL, NULL), 0);
    }
}

/* >>interface --------------------------------------------------------------- */
static int bad_source(void *user, uint32_t offset, void *out, size_t size)
{
    unsigned *calls = (unsigned *)user;
    memset(out, (int)(*calls / 100), size); /* other bytes the second time */
    *calls += 60;
    return offset > 1000 ? -77 : 0;
}

/* Content larger than memory, in pieces; ranges; enumeration of names; contract violations. */
DX_TEST(nor_interface)
{
    static run r;
    static uint8_t large[9000], part[300];
    dx_nor *n = &r.nor;
    dx_nor_ref ref;
    dx_cas_id id, other;
    uint32_t got = 0, cursor = 0;
    char name[DX_CAS_NAME_MAX + 1], longest[DX_CAS_NAME_MAX + 1];
    unsigned calls = 0;
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t)dx_test_random(&seed);
    begin_run(&r, 2048, 16, 16);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_nor_put(n, "x", 1, NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    DX_CHECK_EQ(dx_nor_put_from(n, mem_source, large, sizeof large, &id), 0);
    uint32_t end = n->log_.end;
    DX_CHECK_EQ(dx_nor_put(n, large, sizeof large, &other), 0); /* not stored twice */
    DX_CHECK(n->log_.end == end && dx_cas_id_equal(&id, &other));
    dx_cas_hash(large, sizeof large, &other);
    DX_CHECK(dx_cas_id_equal(&id, &other));
    for (uint32_t offset = 0; offset <= sizeof large + 5; offset += 277) {
        uint32_t most = offset >= sizeof large ? 0 : sizeof large - offset < sizeof part ? (uint32_t)(sizeof large - offset) : (uint32_t)sizeof part;
        DX_CHECK_EQ(dx_nor_read(n, &id, offset, part, sizeof part, &got), 0);
        DX_CHECK(got == most && memcmp(part, large + (most ? offset : 0), got) == 0);
    }
    DX_CHECK_EQ(dx_nor_get(n, &id, part, sizeof part, &got), DX_CAS_ENOSPACE);
    DX_CHECK_EQ(got, sizeof large);
    DX_CHECK_EQ(dx_nor_put(n, large, 1u << 20, NULL), DX_CAS_ENOSPACE);
    memset(&ref, 0, sizeof ref);
    DX_CHECK_EQ(dx_nor_ref_set(n, "a", &ref), DX_CAS_ENOTFOUND);
    ref.root = id;
    ref.time_ns = UINT64_MAX;
    memset(longest, 'n', sizeof longest);
    longest[DX_CAS_NAME_MAX] = 0;
    DX_CHECK_EQ(dx_nor_ref_set(n, longest, &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_set(n, "b", &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_set(n, "a", &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_set(n, "b", &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_set(n, "c", &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_delete(n, "c"), 0);
    DX_CHECK_EQ(dx_nor_ref_delete(n, "c"), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_nor_ref_set(n, "c\n", &ref), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_nor_ref_set(n, "", &ref), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_nor_ref_next(n, &cursor, name, &ref), 0);
    DX_CHECK_STR(name, longest);
    DX_CHECK(ref.time_ns == UINT64_MAX && ref.size == sizeof large);
    DX_CHECK_EQ(dx_nor_ref_next(n, &cursor, name, &ref), 0);
    DX_CHECK_STR(name, "a");
    DX_CHECK_EQ(dx_nor_ref_next(n, &cursor, name, &ref), 0);
    DX_CHECK(name[0] == 'b' && ref.version == 2);
    DX_CHECK_EQ(dx_nor_ref_next(n, &cursor, name, &ref), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_nor_commit(n), 0);
    end = n->log_.end;
    DX_CHECK_EQ(dx_nor_commit(n), 0); /* without changes, a commit writes nothing */
    DX_CHECK_EQ(n->log_.end, end);
    DX_CHECK_EQ(dx_nor_ref_set(n, "c", &ref), 0);
    DX_CHECK_EQ(dx_nor_ref_get(n, "c", &ref), 0);
    DX_CHECK_EQ(ref.version, 2); /* the count continued */
    DX_CHECK_EQ(dx_nor_put_from(n, bad_source, &calls, 200, NULL), DX_CAS_ESYS);
    DX_CHECK_EQ(dx_nor_put(n, "x", 1, NULL), DX_CAS_ESYS);
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_WRITE), 0);
    DX_CHECK_EQ(dx_nor_put_from(n, bad_source, &calls, 2000, NULL), -77);
    DX_CHECK_EQ(dx_nor_put(n, "x", 1, NULL), 0); /* it failed before anything was written */
    DX_CHECK_EQ(open_nor(n, &r.flash, DX_CAS_READ), 0);
    DX_CHECK_EQ(dx_nor_put(n, "x", 1, NULL), DX_CAS_EREADONLY);
    DX_CHECK_EQ(dx_nor_collect(n), DX_CAS_EREADONLY);
}

DX_TEST(nor_bad_descriptions)
{
    static sim s;
    dx_nor n;
    dx_nor_desc good, desc;
    sim_start(&s, 1024, 8, 8);
    memset(&good, 0, sizeof good);
    good.flash.read = sim_read;
    good.flash.program = sim_program;
    good.flash.erase = sim_erase;
    good.flash.user = &s;
    good.flash.block_size = 1024;
    good.flash.block_count = 8;
    good.flash.unit = 8;
    good.mode = DX_CAS_WRITE;
    good.memory = work;
    good.memory_size = dx_nor_memory_size(8);
    DX_CHECK_EQ(dx_nor_create(&n, &good), 0);
    DX_CHECK_EQ(dx_nor_create(&n, &good), DX_CAS_EINVAL); /* one exists */
    for (unsigned i = 0; i < 12; i++) {
        desc = good;
        if (i == 0) desc.flash.unit = 0;
        if (i == 1) desc.flash.unit = 3;
        if (i == 2) desc.flash.unit = 512;
        if (i == 3) desc.flash.block_size = 1028;
        if (i == 4) desc.flash.block_count = 3;
        if (i == 5) desc.flash.block_count = 1u << 22;
        if (i == 6) desc.flash.read = NULL;
        if (i == 7) desc.flash.erase = NULL;
        if (i == 8) desc.mode = 64;
        if (i == 9) desc.memory = NULL;
        if (i == 10) desc.flash.block_size = 256;
        if (i == 11) desc.flash.block_size = 512; /* a store of other blocks */
        if (i == 11) desc.flash.block_count = 16;
        DX_CHECK_EQ(dx_nor_open(&n, &desc), DX_CAS_EINVAL);
    }
    desc = good;
    desc.memory_size--;
    DX_CHECK_EQ(dx_nor_open(&n, &desc), DX_CAS_ENOMEM);
    DX_CHECK_EQ(dx_nor_open(NULL, &good), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_nor_open(&n, NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_nor_open(&n, &good), 0);
}

/* Small BLAKE3, used by all tests here: the ids equal those of docs/formats/cas.md, section 12. */
DX_TEST(nor_small_blake3)
{
    char hex[65];
    dx_cas_id id;
    dx_cas_hash("", 0, &id);
    dx_cas_id_to_hex(&id, hex);
    DX_CHECK_STR(hex, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    dx_cas_hash("hello", 5, &id);
    dx_cas_id_to_hex(&id, hex);
    DX_CHECK_STR(hex, "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f");
}
