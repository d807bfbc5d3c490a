/* dx_patch.h with malicious patches. Real patches of every kind are modified and sealed again, so that the changes pass
   the checksums, and also the hash where the result differs from the promised one. What must hold: the result and the
   bytes depend neither on the applier (in memory, streaming in any pieces, in place) nor on its memory; accepted output
   has the promised hash; no access outside of base, target and slot (checked by the sanitizers); work is bounded by the
   sizes.

   The properties whose names begin with fuzz_ are targets of tests/fuzz.sh, too. DX_TEST_RUNS=100 makes 10^5 runs of
   the larger ones. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { BASE_MAX = 3000, TARGET_MAX = 6000, PATCH_MAX = 16384, MEMORY_MAX = 1 << 19, CREATE_MEMORY = 160 << 10 };

typedef struct world {
    uint8_t base[BASE_MAX], target[TARGET_MAX], patch[PATCH_MAX];
    size_t base_size, target_size, patch_size;
} world;

static world w;
static uint8_t create_memory[CREATE_MEMORY];

/* Counters that the last test reports. */
static struct {
    unsigned long patches, changes, accepted, refused, whole_runs;
} did;

/* >>patches -------------------------------------------------------------- */
/* Contents of several sorts, including those that predictors look for: calls, pointers, numbers. */
static void fill(uint8_t *p, size_t size, uint64_t sort, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t r = dx_test_random(&seed);
        p[i] = (uint8_t)(sort == 0 ? r >> 24 : sort == 1 ? 'a' + r % 3 : 0);
    }
    for (size_t i = 0; sort > 1 && i + 8 <= size; i += 8) {
        uint64_t r = dx_test_random(&seed) % (size + 1);
        if (sort == 2) p[i] = 0xe8, dx_patch_p_store32(p + i + 1, (uint32_t)r - (uint32_t)i);
        else dx_patch_p_store64(p + i, sort == 3 ? 0x400000 + r : r << 40);
    }
    if (sort < 3 || size < 120) return;
    memset(p, 0, 120);
    memcpy(p, "\177ELF\2\1", 6);
    p[32] = 64; /* one program header, right after this one */
    p[54] = 56;
    p[56] = p[64] = 1;
    p[64 + 16 + 2] = 0x40;
    dx_patch_p_store32(p + 64 + 32, (uint32_t)size);
    dx_patch_p_store32(p + 64 + 40, (uint32_t)size + 500);
}

static void draw_pair(dx_choices *c)
{
    bool large = dx_choose(c, 3) == 0; /* small ones are fast, and usually enough */
    size_t n = (size_t)dx_choose(c, large ? BASE_MAX : 255), at = 0, used = 0;
    fill(w.base, n, dx_choose(c, 4), dx_choose(c, 255));
    while (used < TARGET_MAX - 1100 && dx_choose(c, 5)) {
        size_t size = (size_t)dx_choose(c, large ? 1100 : 127);
        uint64_t what = dx_choose(c, 3);
        if (what == 1) at = (size_t)dx_choose(c, n);
        if (what < 3 && size > n - at) size = n - at;
        if (what == 3) {
            fill(w.target + used, size, dx_choose(c, 1), dx_choose(c, 255));
        } else {
            memcpy(w.target + used, w.base + at, size);
            at += size;
            if (what == 2)
                for (size_t i = 0; i < size; i += 1 + (size_t)dx_choose(c, 255)) w.target[used + i] ^= (uint8_t)(1 + dx_choose(c, 254));
        }
        used += size;
    }
    w.base_size = n;
    w.target_size = used;
}

static void make_patch(dx_choices *c, dx_patch_kind kind)
{
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    d.memory = create_memory;
    d.memory_size = sizeof create_memory - (size_t)dx_choose(c, 1) * 80000;
    d.kind = kind;
    d.level = (uint32_t)dx_choose(c, 9);
    if (kind == DX_PATCH_KIND_BLOCKS) {
        d.block_size = 64u << dx_choose(c, 10);
        d.one_way = dx_choose(c, 1) != 0;
        d.codings = dx_choose(c, 1) ? 1u << DX_PATCH_CODING_PLAIN : 0;
    } else if (kind == DX_PATCH_KIND_FLASH) {
        d.block_size = 256u << dx_choose(c, 3);
    } else if (dx_choose(c, 7) == 0) {
        d.codings = 1u << DX_PATCH_CODING_PLAIN;
    }
    size_t bound = dx_patch_bound(&d, w.base_size, w.target_size);
    DX_CHECK(bound <= sizeof w.patch);
    DX_CHECK_EQ(dx_patch_create(&d, w.base, w.base_size, w.target, w.target_size, w.patch, bound, &w.patch_size), 0);
    did.patches++;
}

static void seal(uint8_t *p, size_t size)
{
    dx_patch_p_store64(p + 24, size - 128);
    dx_patch_p_store32(p + 112, dx_patch_p_crc32c(0, p + 128, size - 128));
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
}

/* One from fixed choices: all literals are mixed where the kind supports it. */
static void make_plainly(dx_patch_kind kind)
{
    dx_choice drawn[8] = {{0, 0}, {9, 0}, {1, 0}};
    dx_choices fixed;
    memset(&fixed, 0, sizeof fixed);
    fixed.drawn = drawn;
    fixed.fixed_count = 3;
    make_patch(&fixed, kind);
}

/* A number near a significant one. */
static uint64_t near(dx_choices *c, uint64_t v)
{
    uint64_t way = dx_choose(c, 4);
    return way == 0 ? v + 1 + dx_choose(c, 255) : way == 1 ? v - 1 - dx_choose(c, 255) : way == 2 ? v / 2
         : way == 3 ? dx_choose(c, 255) : v ^ (uint64_t)1 << dx_choose(c, 63);
}

/* One change to the header or the body. */
static void change(dx_choices *c)
{
    static const uint8_t wide[] = {8, 16, 40}; /* base, target, memory: 64 bits each */
    uint64_t what = dx_choose(c, 8);
    size_t body = w.patch_size - 128, at = 128 + (size_t)dx_choose(c, body ? body - 1 : 0);
    if (what <= 3 && body) {
        w.patch[at] = (uint8_t)(w.patch[at] ^ (1 + dx_choose(c, 254)));
    } else if (what == 4 && body) { /* truncate the body */
        w.patch_size -= 1 + (size_t)dx_choose(c, body < 40 ? body - 1 : 39);
    } else if (what == 5 && w.patch_size < PATCH_MAX - 64) { /* or extend it somewhere */
        size_t more = 1 + (size_t)dx_choose(c, 20);
        memmove(w.patch + at + more, w.patch + at, w.patch_size - at);
        for (size_t i = 0; i < more; i++) w.patch[at + i] = (uint8_t)dx_choose(c, 255);
        w.patch_size += more;
    } else if (what == 6) {
        size_t field = wide[dx_choose(c, 2)];
        dx_patch_p_store64(w.patch + field, near(c, dx_patch_p_load64(w.patch + field)));
    } else if (what == 7) {
        size_t field = 32 + 4 * (size_t)dx_choose(c, 1); /* block size, flags */
        dx_patch_p_store32(w.patch + field, (uint32_t)near(c, dx_patch_p_load32(w.patch + field)));
    } else {
        size_t field = 4 + (size_t)dx_choose(c, 3);
        w.patch[field] = (uint8_t)dx_choose(c, 4);
    }
    did.changes++;
}

/* >>appliers -------------------------------------------------------------- */
typedef struct way {
    size_t memory_size, first, step; /* the first piece, and the others */
    unsigned shift;                  /* of the memory */
    bool read, write, undo, skip_hash;
} way;

typedef struct verdict {
    int error;
    size_t size, reads, writes;
    uint64_t read_bytes;
    uint8_t *bytes; /* from malloc */
} verdict;

typedef struct job {
    const uint8_t *base;
    size_t base_size, capacity;
    verdict *v;
} job;

static int job_read(void *user, uint64_t offset, void *p, size_t size)
{
    job *j = (job *)user;
    DX_CHECK(size && offset <= j->base_size && size <= j->base_size - offset);
    memcpy(p, j->base + offset, size);
    j->v->reads++;
    j->v->read_bytes += size;
    return 0;
}

static int job_write(void *user, const void *p, size_t size)
{
    job *j = (job *)user;
    DX_CHECK(size && size <= j->capacity - j->v->size); /* never more than the header says */
    memcpy(j->v->bytes + j->v->size, p, size);
    j->v->size += size;
    j->v->writes++;
    return 0;
}

/* A copy of exactly this size, so that a sanitizer detects a read beyond it. */
static uint8_t *exactly(const void *bytes, size_t size)
{
    uint8_t *p = (uint8_t *)malloc(size + !size);
    if (size && bytes) memcpy(p, bytes, size);
    return p;
}

/* Apply w.patch in one way. capacity: the result's size according to its header. */
static verdict apply(const uint8_t *base, size_t base_size, size_t capacity, way how)
{
    verdict v = {0, 0, 0, 0, 0, exactly(NULL, capacity)};
    uint8_t *room = exactly(NULL, how.memory_size + how.shift), *from = exactly(base, base_size), *patch = exactly(w.patch, w.patch_size);
    job j = {from, base_size, capacity, &v};
    dx_patch_applier a;
    dx_patch_applier_desc d;
    memset(&d, 0, sizeof d);
    d.user = &j;
    if (how.read) d.read = job_read;
    else d.base = from;
    if (how.write) d.write = job_write;
    else d.out = v.bytes;
    d.out_capacity = capacity;
    d.base_size = base_size;
    d.memory = room + how.shift;
    d.memory_size = how.memory_size;
    d.undo = how.undo;
    d.skip_target_hash = how.skip_hash;
    v.error = dx_patch_applier_init(&a, &d);
    for (size_t at = 0, part; !v.error && at < w.patch_size; at += part) {
        part = at || !how.first ? how.step : how.first;
        if (part > w.patch_size - at) part = w.patch_size - at;
        v.error = dx_patch_applier_feed(&a, patch + at, part);
    }
    if (!v.error) v.error = dx_patch_applier_finish(&a);
    if (!how.write && !v.error) v.size = (size_t)a.produced_;
    if (!v.error) DX_CHECK(v.size == capacity && v.size == a.produced_);
    if (v.error) DX_CHECK(strcmp(dx_patch_error_name(v.error), "unknown error") != 0);
    /* Work: each byte of the base once for its hash, and once to check that whatever a shrinking removes becomes zero;
       then, per byte of the target, at most one as a hint or of its match, and, per block of a match, each of which may
       be only one byte, twelve around it. */
    DX_CHECK(v.read_bytes <= 2 * base_size + 13 * (uint64_t)a.produced_ + 2100);
    DX_CHECK(v.reads <= 2 * (base_size / 1024 + 1) + 2 * a.produced_ + 2);
    DX_CHECK(a.base_done_ <= base_size && a.produced_ <= capacity);
    free(room);
    free(from);
    free(patch);
    did.whole_runs++;
    return v;
}

static void check_same(const verdict *a, const verdict *b)
{
    DX_CHECK_EQ(b->error, a->error);
    if (!a->error) {
        DX_CHECK_EQ(b->size, a->size);
        DX_CHECK_MEM(b->bytes, a->bytes, a->size);
    }
}

/* Apply w.patch in this way and check that the result equals the earlier one. */
static void apply_again(const verdict *first, const uint8_t *base, size_t base_size, size_t capacity, way how)
{
    verdict v = apply(base, base_size, capacity, how);
    check_same(first, &v);
    free(v.bytes);
}

static void check_in_place(const dx_patch_header *h, const verdict *first)
{
    size_t larger = h->base_size > h->target_size ? (size_t)h->base_size : (size_t)h->target_size, got = 77;
    uint8_t *buffer, *patch;
    if (larger > TARGET_MAX * 4 || w.base_size > larger) return;
    buffer = exactly(NULL, larger);
    patch = exactly(w.patch, w.patch_size);
    memcpy(buffer, w.base, w.base_size);
    int error = dx_patch_apply_in_place(buffer, w.base_size, larger, patch, w.patch_size, &got);
    DX_CHECK_EQ(!error, !first->error);
    if (error) DX_CHECK_MEM(buffer, w.base, w.base_size);
    if (!error) {
        DX_CHECK_EQ(got, first->size);
        DX_CHECK_MEM(buffer, first->bytes, got);
    }
    if (!error && h->reversible) {
        DX_CHECK_EQ(dx_patch_undo(buffer, got, larger, patch, w.patch_size, &got), 0);
        DX_CHECK_EQ(got, w.base_size);
        DX_CHECK_MEM(buffer, w.base, got);
    }
    free(buffer);
    free(patch);
}

/* Every applier of w.patch, with any memory, returns the same result and bytes. Returns them; the caller frees the
   bytes. */
static verdict apply_in_every_way(dx_choices *c, bool skip_hash)
{
    dx_patch_header h;
    verdict first = {0, 0, 0, 0, 0, NULL};
    size_t capacity, need, i;
    first.error = dx_patch_info(w.patch, w.patch_size, &h);
    if (!first.error && h.memory_size > MEMORY_MAX) first.error = DX_PATCH_ENOMEM;
    if (!first.error && h.target_size > 4 * TARGET_MAX) first.error = DX_PATCH_ETOOBIG;
    if (first.error) return first;
    capacity = (size_t)h.target_size;
    need = (size_t)h.memory_size;
    way how = {need, 0, w.patch_size, 0, false, false, false, skip_hash};
    first = apply(w.base, w.base_size, capacity, how);
    if (first.error != DX_PATCH_ENOTSUP && need) {
        how.memory_size = need - 1;
        verdict less = apply(w.base, w.base_size, capacity, how);
        DX_CHECK_EQ(less.error, DX_PATCH_ENOMEM);
        free(less.bytes);
    }
    for (i = 0; i < 3; i++) {
        static const size_t more[] = {0, 1, 1000, 17416, 17417, 40000, 70000, 262144};
        how.memory_size = need + more[dx_choose(c, 7)];
        how.shift = (unsigned)dx_choose(c, 7);
        how.read = i == 2 || dx_choose(c, 1);
        how.write = i == 2 || dx_choose(c, 1);
        how.first = (size_t)dx_choose(c, w.patch_size);
        how.step = i == 2 ? 1 : 1 + (size_t)dx_choose(c, 255);
        apply_again(&first, w.base, w.base_size, capacity, how);
    }
    if (skip_hash) return first;
    if (!first.error) {
        uint8_t hash[DX_PATCH_HASH_SIZE];
        dx_patch_hash(first.bytes, first.size, hash);
        DX_CHECK_MEM(hash, h.target_hash, sizeof hash);
    }
    if (h.kind == DX_PATCH_KIND_BLOCKS) check_in_place(&h, &first);
    return first;
}

/* Check a modified patch; then the same changes with the resulting hash, so that it is accepted unless another check
   fails. */
static void judge(dx_choices *c)
{
    seal(w.patch, w.patch_size);
    verdict v = apply_in_every_way(c, false);
    if (v.error == DX_PATCH_ETARGET) {
        free(v.bytes);
        v = apply_in_every_way(c, true);
        DX_CHECK_EQ(v.error, 0);
        dx_patch_hash(v.bytes, v.size, w.patch + 80);
        free(v.bytes);
        seal(w.patch, w.patch_size);
        v = apply_in_every_way(c, false);
        DX_CHECK_EQ(v.error, 0);
    }
    did.accepted += !v.error;
    did.refused += v.error != 0;
    free(v.bytes);
}

DX_PROPERTY(fuzz_apply, 500)
{
    draw_pair(c);
    make_patch(c, DX_PATCH_KIND_DELTA);
    for (uint64_t n = dx_choose(c, 4); n; n--) change(c);
    judge(c);
}

DX_PROPERTY(fuzz_in_place, 500)
{
    draw_pair(c);
    make_patch(c, DX_PATCH_KIND_BLOCKS);
    for (uint64_t n = dx_choose(c, 4); n; n--) change(c);
    judge(c);
}

/* A body of arbitrary bytes for a small base, so that a fuzzer reaches each step of the decoder. */
DX_PROPERTY(fuzz_apply_body, 500)
{
    dx_patch_header h;
    memset(&h, 0, sizeof h);
    w.base_size = (size_t)dx_choose(c, 255) * 8;
    fill(w.base, w.base_size, dx_choose(c, 4), 1);
    h.kind = (uint8_t)(1 + dx_choose(c, 1));
    h.coding = h.kind == DX_PATCH_KIND_BLOCKS ? (uint8_t)(3 * dx_choose(c, 1)) : (uint8_t)dx_choose(c, 1);
    h.block_size = h.kind == DX_PATCH_KIND_BLOCKS ? 64u << dx_choose(c, 3) : 0;
    h.reversible = h.kind == DX_PATCH_KIND_BLOCKS;
    h.base_size = w.base_size;
    h.target_size = dx_choose(c, 4095);
    h.memory_size = 17044 + dx_choose(c, 65535);
    dx_patch_hash(w.base, w.base_size, h.base_hash);
    dx_patch_p_store_header(w.patch, &h);
    w.patch_size = 128;
    for (size_t n = (size_t)dx_choose(c, 511); n; n--) w.patch[w.patch_size++] = (uint8_t)dx_choose(c, 255);
    if (h.kind == DX_PATCH_KIND_DELTA && w.patch_size > 133) { /* valid parameters */
        static const uint8_t parameters[4][5] = {{0, 34, 0, 0, 0}, {0x34, 35, 8, 0, 0}, {0x74, 35, 8, 8, 8}, {0x34, 34, 0, 9, 5}};
        memcpy(w.patch + 128, parameters[h.coding ? dx_choose(c, 3) : 0], 5);
    }
    did.patches++;
    judge(c);
}

/* Feed in two pieces, split at every place. */
DX_PROPERTY(hostile_every_split_point, 6)
{
    draw_pair(c);
    make_patch(c, dx_choose(c, 2) ? DX_PATCH_KIND_DELTA : DX_PATCH_KIND_BLOCKS);
    for (uint64_t n = dx_choose(c, 2); n; n--) change(c);
    seal(w.patch, w.patch_size);
    verdict first = apply_in_every_way(c, true);
    if (!first.bytes) return;
    for (size_t i = 1; i < w.patch_size; i++) {
        size_t capacity = (size_t)dx_patch_p_load64(w.patch + 16), need = (size_t)dx_patch_p_load64(w.patch + 40);
        way how = {need + i % 3 * 30000, i, w.patch_size, 0, i & 1, true, false, true};
        apply_again(&first, w.base, w.base_size, capacity, how);
    }
    free(first.bytes);
}

/* >>memory ------------------------------------------------------------------ */
/* A header that states less memory than its body needs is refused, however much the caller has. */
DX_TEST(the_memory_size_of_the_header_binds_the_body)
{
    static const uint64_t less[] = {0, 1, 1000, 17043, 17044, 30000, 48000};
    size_t refused = 0;
    w.base_size = 3000;
    w.target_size = 5000;
    fill(w.base, w.base_size, 1, 1);
    memcpy(w.target, w.base + 500, 2500);
    fill(w.target + 2500, 2500, 1, 7);
    for (int kind = 1; kind <= 4; kind++) {
        if (kind == 3) continue;
        make_plainly((dx_patch_kind)kind);
        uint64_t need = dx_patch_p_load64(w.patch + 40);
        for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
            if (less[i] >= need) continue;
            dx_patch_p_store64(w.patch + 40, less[i]);
            seal(w.patch, w.patch_size);
            for (size_t memory = (size_t)less[i] + !less[i]; memory < MEMORY_MAX; memory = memory * 2 + 1) {
                way how = {memory, 0, 64, 0, memory & 1, memory & 2, false, false};
                verdict v = apply(w.base, w.base_size, w.target_size, how);
                DX_CHECK_EQ(v.error, DX_PATCH_EHEADER);
                free(v.bytes);
                refused++;
            }
        }
    }
    DX_CHECK(refused > 50);
}

/* >>work -------------------------------------------------------------------- */
typedef struct meter {
    const dx_patch_applier *a;
    uint64_t given, calls, odd;
} meter;

static int meter_progress(void *user, uint64_t done, uint64_t total)
{
    meter *m = (meter *)user;
    (void)done;
    (void)total;
    if (m->a->given_ == m->given) return 0;
    m->odd += (m->a->given_ - m->given) % DX_PATCH_P_LOT != 0;
    m->given = m->a->given_;
    m->calls++;
    return 0;
}

/* With exactly the memory that the header states, the target is hashed in place, in large pieces. */
DX_TEST(a_target_in_memory_is_hashed_in_large_pieces)
{
    enum { N = 2 << 20 };
    uint8_t *base = exactly(NULL, N), *target = exactly(NULL, N), *patch = exactly(NULL, N + 1000), *out = exactly(NULL, N), *memory;
    dx_patch_create_desc d;
    dx_patch_applier a;
    dx_patch_applier_desc how;
    dx_patch_header h;
    meter m = {&a, 0, 0, 0};
    size_t size;
    fill(base, N, 0, 1);
    memcpy(target, base, N);
    for (size_t i = 0; i < N; i += 5000) target[i] ^= 1;
    memset(&d, 0, sizeof d);
    d.memory_size = dx_patch_create_memory_size(&d, N, N);
    d.memory = malloc(d.memory_size);
    DX_CHECK_EQ(dx_patch_create(&d, base, N, target, N, patch, N + 1000, &size), 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    memory = exactly(NULL, (size_t)h.memory_size);
    memset(&how, 0, sizeof how);
    how.user = &m;
    how.progress = meter_progress;
    how.base = base;
    how.base_size = N;
    how.out = out;
    how.out_capacity = N;
    how.memory = memory;
    how.memory_size = (size_t)h.memory_size;
    DX_CHECK_EQ(dx_patch_applier_init(&a, &how), 0);
    DX_CHECK_EQ(dx_patch_applier_feed(&a, patch, size), 0);
    DX_CHECK_EQ(dx_patch_applier_finish(&a), 0);
    DX_CHECK_MEM(out, target, N);
    DX_CHECK_EQ(m.odd, 0);
    DX_CHECK(m.calls && m.calls <= N / DX_PATCH_P_LOT / 2);
    free(base), free(target), free(patch), free(out), free(memory), free(d.memory);
}

/* However small the pieces are: once for its hash, and once where the patch uses it. */
DX_TEST(each_window_of_the_base_is_read_once)
{
    static const size_t steps[] = {1, 7, 64, 100000};
    w.base_size = BASE_MAX;
    w.target_size = TARGET_MAX;
    fill(w.base, BASE_MAX, 0, 1);
    memcpy(w.target, w.base + 700, 2000);
    fill(w.target + 2000, 4000, 0, 3); /* mixed literals, with the base's bytes as hints */
    make_plainly(DX_PATCH_KIND_DELTA);
    DX_CHECK(w.patch[131] != 0); /* it mixes */
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        way how = {(size_t)dx_patch_p_load64(w.patch + 40), 0, steps[i], 0, true, true, false, false};
        verdict v = apply(w.base, w.base_size, w.target_size, how);
        DX_CHECK_EQ(v.error, 0);
        DX_CHECK(v.read_bytes <= w.base_size + w.target_size + 200);
        DX_CHECK(v.reads <= 12);
        free(v.bytes);
    }
}

/* >>create ------------------------------------------------------------------ */
DX_PROPERTY(fuzz_create, 300)
{
    dx_patch_create_desc d;
    uint8_t *base, *target, *out, *memory;
    size_t size = 0, bound, got;
    draw_pair(c);
    for (uint64_t n = dx_choose(c, 40); n && w.base_size; n--) w.base[dx_choose(c, w.base_size - 1)] = (uint8_t)dx_choose(c, 255);
    for (uint64_t n = dx_choose(c, 40); n && w.target_size; n--) w.target[dx_choose(c, w.target_size - 1)] = (uint8_t)dx_choose(c, 255);
    memset(&d, 0, sizeof d);
    d.kind = dx_choose(c, 1) ? DX_PATCH_KIND_DELTA : DX_PATCH_KIND_BLOCKS;
    d.level = (uint32_t)dx_choose(c, 10);
    d.block_size = dx_choose(c, 1) ? 64u << dx_choose(c, 11) : 0;
    d.one_way = dx_choose(c, 1) != 0;
    d.codings = (uint32_t)dx_choose(c, 15);
    d.apply_memory_max = dx_choose(c, 1) ? 17000 + dx_choose(c, 65535) : 0;
    d.memory_size = dx_choose(c, 1) ? (size_t)dx_choose(c, 70000) : 66000 + (size_t)dx_choose(c, 90000);
    bound = dx_patch_bound(&d, w.base_size, w.target_size);
    if (dx_choose(c, 1)) bound = (size_t)dx_choose(c, bound);
    unsigned shift = (unsigned)dx_choose(c, 7);
    base = exactly(w.base, w.base_size);
    target = exactly(w.target, w.target_size);
    out = exactly(NULL, bound);
    memory = exactly(NULL, d.memory_size + shift);
    d.memory = memory + shift;
    int error = dx_patch_create(&d, base, w.base_size, target, w.target_size, out, bound, &size);
    DX_CHECK(error || size <= bound);
    DX_CHECK(!error || error == DX_PATCH_EINVAL || error == DX_PATCH_ENOMEM || error == DX_PATCH_ENOSPACE ||
             error == DX_PATCH_ENOTSUP || error == DX_PATCH_ETOOBIG);
    if (!error) {
        dx_patch_header h;
        DX_CHECK_EQ(dx_patch_info(out, size, &h), 0);
        DX_CHECK(d.kind != DX_PATCH_KIND_DELTA || !d.apply_memory_max || h.memory_size <= d.apply_memory_max);
        uint8_t *room = exactly(NULL, (size_t)h.memory_size), *made = exactly(NULL, w.target_size);
        DX_CHECK_EQ(dx_patch_apply(base, w.base_size, out, size, made, w.target_size, &got, room, (size_t)h.memory_size), 0);
        DX_CHECK_EQ(got, w.target_size);
        DX_CHECK_MEM(made, target, got);
        free(room);
        free(made);
    }
    free(base);
    free(target);
    free(out);
    free(memory);
}

/* >>flash -------------------------------------------------------------------- */
typedef struct flash {
    uint8_t *slot;
    size_t slot_size, page, reads, writes, erases;
    uint64_t read_bytes;
} flash;

static int flash_io(void *user, dx_patch_flash_io what, uint64_t offset, void *p, size_t size)
{
    flash *f = (flash *)user;
    DX_CHECK(size && offset <= f->slot_size && size <= f->slot_size - offset);
    if (what == DX_PATCH_FLASH_READ) {
        memcpy(p, f->slot + offset, size);
        f->reads++;
        f->read_bytes += size;
    } else if (what == DX_PATCH_FLASH_WRITE) {
        DX_CHECK(size == 256 && offset % 256 == 0);
        for (size_t i = 0; i < size; i++) DX_CHECK(f->slot[offset + i] == 255);
        memcpy(f->slot + offset, p, size);
        f->writes++;
    } else {
        DX_CHECK(size == f->page && offset % f->page == 0 && !p);
        memset(f->slot + offset, 255, size);
        f->erases++;
    }
    return 0;
}

static int run_flash(flash *f, size_t slot_size, size_t page)
{
    static dx_patch_flash object;
    uint8_t *patch = exactly(w.patch, w.patch_size);
    dx_patch_flash_desc d = {.user = f,
                             .io = flash_io,
                             .patch = patch,
                             .patch_size = w.patch_size,
                             .slot_size = slot_size,
                             .page_size = (uint32_t)page};
    memset(f, 0, sizeof *f);
    f->slot_size = slot_size;
    f->page = dx_patch_p_load32(w.patch + 32);
    f->slot = exactly(NULL, slot_size);
    memset(f->slot, 0x5a, slot_size);
    memcpy(f->slot, w.base, w.base_size < slot_size ? w.base_size : slot_size);
    int error = dx_patch_flash_apply(&object, &d);
    size_t pages = slot_size / (f->page ? f->page : 1) + 1;
    DX_CHECK(f->erases <= 2 * pages && f->writes <= 2 * slot_size / 256);
    /* Twice the base and once the target for their hashes, pages for their checksums, and one piece per byte of the
       target. */
    DX_CHECK(f->reads <= 16 + slot_size / 16 + slot_size);
    if (error && error != DX_PATCH_ETARGET && error != DX_PATCH_EAPPLIED) {
        DX_CHECK_EQ(f->erases + f->writes, 0); /* refused before anything changed */
    }
    free(patch);
    did.whole_runs++;
    return error;
}

DX_PROPERTY(fuzz_flash, 500)
{
    flash f;
    draw_pair(c);
    make_patch(c, DX_PATCH_KIND_FLASH);
    for (uint64_t n = dx_choose(c, 4); n; n--) change(c);
    seal(w.patch, w.patch_size);
    uint64_t page = dx_patch_p_load32(w.patch + 32);
    size_t slot = (size_t)dx_choose(c, 8192) * 2 + 8192;
    int error = run_flash(&f, slot, page && page < 65536 ? (size_t)page : 256);
    if (error == DX_PATCH_ETARGET && dx_patch_p_load64(w.patch + 16) <= slot) {
        dx_patch_hash(f.slot, (size_t)dx_patch_p_load64(w.patch + 16), w.patch + 80);
        seal(w.patch, w.patch_size);
        free(f.slot);
        error = run_flash(&f, slot, (size_t)page);
        DX_CHECK_EQ(error, 0);
    }
    if (!error) {
        uint8_t hash[DX_PATCH_HASH_SIZE];
        dx_patch_hash(f.slot, (size_t)dx_patch_p_load64(w.patch + 16), hash);
        DX_CHECK_MEM(hash, w.patch + 80, sizeof hash);
    }
    did.accepted += !error;
    did.refused += error != 0;
    free(f.slot);
}

DX_TEST(hostile_what_was_done)
{
    printf("     %lu patches with %lu changes applied %lu times, %lu patches accepted, %lu refused\n", did.patches,
           did.changes, did.whole_runs, did.accepted, did.refused);
    DX_CHECK(!did.patches || did.accepted + did.refused > 0); /* counters are zero if the filter leaves only this test */
}
