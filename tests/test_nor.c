/* The store on NOR flash of examples/nor/nor.h, on a simulated flash that keeps the rules of real ones, whose power is cut at
   every program and every erase; and what dx_cas.h and it read of each other.
   cc -std=c11 -O2 tests/test_nor.c -o build/test_nor */
#define DX_IMPLEMENTATION
#include "../dx_cas.h"
#include "../examples/nor/nor.h"
#define DX_TEST_MAIN
#include "dx_test.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
enum { NOISES = 1, DOUBLE_RUNS = 400 };
#else
enum { NOISES = 3, DOUBLE_RUNS = 4000 };
#endif

/* >>flash --------------------------------------------------------------- */
enum { FLASH_MAX = 32768, BLOCKS_MAX = 32 };
typedef struct sim {
    uint8_t  bytes[FLASH_MAX], written[FLASH_MAX]; /* written: of each unit, since it was erased */
    uint32_t erases[BLOCKS_MAX];
    uint32_t block, count, unit;
    long     operations, cut, fail; /* the one at which power goes, or that fails; 0 = never */
    uint64_t noise;
    bool     off, lenient; /* lenient: a torn unit that reads as erased may be programmed (RESUME) */
} sim;

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

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
    size_t torn = s->off ? mix(&s->noise) % (size / s->unit) * s->unit : size;
    for (size_t i = 0; i < size && i <= torn; i += s->unit) {
        uint8_t *to = s->bytes + offset + i, *flag = s->written + (offset + i) / s->unit;
        DX_CHECK(!*flag && erased(to, s->unit)); /* never twice */
        *flag = 1;
        if (i < torn) {
            memcpy(to, from + i, s->unit);
            continue;
        }
        unsigned how = mix(&s->noise) % 4; /* no bit, all of them, some; some of few */
        for (size_t k = 0; k < s->unit && how; k++) {
            uint8_t keep = how == 1 ? 0 : (uint8_t)mix(&s->noise);
            if (how == 3) keep |= (uint8_t)(mix(&s->noise) | mix(&s->noise));
            to[k] = (uint8_t)(from[i + k] | keep);
        }
        if (s->lenient && erased(to, s->unit)) *flag = 0;
    }
    return s->off ? DX_CAS_ESYS : 0;
}

/* A torn erase leaves some bytes, some erased, some in between. */
static int sim_erase(void *user, uint32_t offset)
{
    sim *s = (sim *)user;
    if (s->off) return DX_CAS_ESYS;
    DX_CHECK(offset % s->block == 0 && offset / s->block < s->count);
    s->operations++;
    if (s->operations == s->fail) return DX_CAS_ESYS;
    s->off = s->operations == s->cut;
    s->erases[offset / s->block]++;
    uint64_t how = mix(&s->noise) % 4, from = mix(&s->noise) % s->block;
    for (size_t i = 0; i < s->block; i++) {
        uint8_t *b = s->bytes + offset + i;
        if (s->off && (how == 0 || (how == 1 && i < from) || (how == 2 && i >= from))) continue;
        *b = s->off && how == 3 ? (uint8_t)(*b | mix(&s->noise)) : 0xff;
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

static uint8_t work[DX_CAS_NOR_MEMORY_SIZE(256) + 3];

static int open_nor(dx_cas_nor *n, sim *s, uint32_t mode)
{
    dx_cas_nor_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.flash.read = sim_read;
    desc.flash.program = sim_program;
    desc.flash.erase = sim_erase;
    desc.flash.user = s;
    desc.flash.block_size = s->block;
    desc.flash.block_count = s->count;
    desc.flash.unit = s->unit;
    desc.mode = mode | (s->lenient ? DX_CAS_NOR_RESUME : 0);
    memset(work, 0xcc, sizeof work);
    desc.memory = work + 3;
    desc.memory_size = dx_cas_nor_memory_size(s->unit);
    memcpy(desc.store_id, "0123456789abcdef", 16);
    desc.mode &= ~(uint32_t)DX_CAS_CREATE;
    int error = dx_cas_nor_open(n, &desc);
    return error == DX_CAS_ENOTFOUND && (mode & DX_CAS_CREATE) ? dx_cas_nor_create(n, &desc) : error;
}

/* >>model ---------------------------------------------------------------- */
enum { OBJECTS = 16, NAMES = 4, SIZE_MAX_ = 1500 };
static const char *const names[NAMES] = {"a", "boot/config", "\xe2\x82\xac", "a name that is not short at all"};

typedef struct state {
    uint32_t objects;       /* bits: certainly there */
    int      root[NAMES];   /* -1: not set */
    uint64_t version[NAMES];
} state;

typedef struct run {
    sim        flash;
    dx_cas_nor nor;
    state      before, now, commit; /* before: committed; commit: what was being made; now: with what is not */
    bool       making;
} run;

static uint32_t object_of(unsigned i, uint8_t *out)
{
    static const uint32_t sizes[OBJECTS] = {0, 1, 5, 64, 63, 200, 129, 1500, 300, 31, 777, 1024, 128, 2, 448, 96};
    uint64_t seed = i + 1;
    for (uint32_t k = 0; k < sizes[i]; k++) out[k] = (uint8_t)mix(&seed);
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
    int error = dx_cas_nor_put(&r->nor, bytes, object_of(i, bytes), &id);
    if (error) return error;
    DX_CHECK(dx_cas_id_equal(&id, &want));
    r->now.objects |= 1u << i;
    return 0;
}

static int step_set(run *r, unsigned name, unsigned i)
{
    dx_cas_nor_ref ref;
    memset(&ref, 0, sizeof ref);
    ref.root = id_of(i);
    ref.kind = 7 + i;
    ref.time_ns = 1000 * i;
    int error = dx_cas_nor_ref_set(&r->nor, names[name], &ref);
    if (error) return error;
    r->now.root[name] = (int)i;
    r->now.version[name]++;
    return 0;
}

static int step_delete(run *r, unsigned name)
{
    int error = dx_cas_nor_ref_delete(&r->nor, names[name]);
    DX_CHECK(error != DX_CAS_ENOTFOUND || r->now.root[name] < 0);
    if (error == DX_CAS_OK) r->now.root[name] = -1;
    return error == DX_CAS_ENOTFOUND ? 0 : error;
}

static int step_commit(run *r)
{
    r->commit = r->now;
    r->making = true;
    return settle(r, dx_cas_nor_commit(&r->nor));
}

static int step_collect(run *r)
{
    if (step_commit(r)) return -1;
    r->commit = r->now;
    collected(&r->commit);
    r->making = true;
    return settle(r, dx_cas_nor_collect(&r->nor));
}

static void begin_run(run *r, uint32_t block, uint32_t count, uint32_t unit)
{
    memset(r, 0, sizeof *r);
    sim_start(&r->flash, block, count, unit);
    for (int i = 0; i < NAMES; i++) r->before.root[i] = -1;
    r->now = r->commit = r->before;
}

/* Does the store hold this? */
static bool holds(dx_cas_nor *n, const state *s)
{
    uint8_t want[SIZE_MAX_], got[SIZE_MAX_];
    for (unsigned i = 0; i < NAMES; i++) {
        dx_cas_nor_ref ref;
        int error = dx_cas_nor_ref_get(n, names[i], &ref);
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
        int error = dx_cas_nor_get(n, &id, got, sizeof got, &have);
        if (!(s->objects >> i & 1)) {
            if (error != DX_CAS_ENOTFOUND) return false;
            continue;
        }
        if (error || have != size || memcmp(want, got, size) != 0) return false;
    }
    return true;
}

/* A cut between two copies: of the first block's header, or of the last commit. The latter is made good by the next write. */
static int only_copies(void *user, const dx_cas_damage *d)
{
    const dx_cas_nor *n = (const dx_cas_nor *)user;
    if (d->kind == DX_CAS_DAMAGE_COMMIT) return !n || d->offset != n->log_.commit;
    return d->kind != DX_CAS_DAMAGE_HEADER || d->size != 32 || d->offset != 0;
}

/* dx_cas.h reads it through the device, and finds nothing to complain of. */
static void host_reads(dx_cas_nor *n, const state *s)
{
    static uint8_t memory[1 << 17];
    uint8_t want[SIZE_MAX_], got[SIZE_MAX_];
    dx_cas_store store;
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = dx_cas_nor_device(n);
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

/* Power is back: the store is what was committed, or what was being committed. */
static void recovered(run *r)
{
    r->flash.off = false;
    r->flash.cut = r->flash.fail = 0;
    int error = open_nor(&r->nor, &r->flash, DX_CAS_READ);
    if (error == DX_CAS_ENOTFOUND && r->before.version[0] == 0 && !r->before.objects) { /* not yet created */
        DX_CHECK_EQ(open_nor(&r->nor, &r->flash, DX_CAS_WRITE | DX_CAS_CREATE), 0);
    } else {
        DX_CHECK_EQ(error, 0);
    }
    if (r->making && holds(&r->nor, &r->commit)) r->before = r->commit;
    DX_CHECK(holds(&r->nor, &r->before));
    r->now = r->before;
    r->making = false;
    error = dx_cas_nor_verify(&r->nor, only_copies, &r->nor, NULL);
    DX_CHECK(error == 0 || error == DX_CAS_ECORRUPT);
}

/* >>script ----------------------------------------------------------------- */
/* Makes use of everything; ends at the first error. */
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

/* After any cut: the committed state; then the whole script runs on the flash as it was left. */
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
                DX_CHECK_EQ(dx_cas_nor_verify(&r.nor, NULL, NULL, NULL), 0);
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
