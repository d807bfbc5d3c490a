/* Tests of dx_patch.h. Names carry the rows of the requirements that they verify. */
#define DX_IMPLEMENTATION
#include "../../dx_patch.h"
#include "../../layers/dx_versions.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { MEMORY = 1 << 20, SMALL = 1 << 20, MOST = 1 << 17 };
static uint8_t memory[MEMORY], small[SMALL], patch[2 * MOST], out[2 * MOST];
static uint8_t base[MOST], target[MOST];

static dx_patch_create_desc describe(dx_patch_kind kind)
{
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.kind = kind;
    return d;
}

static size_t create(const dx_patch_create_desc *d, size_t base_size, size_t target_size)
{
    size_t size = 0;
    size_t bound = dx_patch_bound(d, base_size, target_size);
    DX_CHECK(bound <= sizeof patch);
    DX_CHECK_EQ(dx_patch_create(d, base, base_size, target, target_size, patch, bound, &size), 0);
    DX_CHECK(size <= bound);
    return size;
}

static int apply(const uint8_t *from, size_t from_size, const uint8_t *p, size_t size, size_t *got)
{
    return dx_patch_apply(from, from_size, p, size, out, sizeof out, got, small, sizeof small);
}

/* Recompute the checksums of a patch whose fields were changed on purpose. */
static void seal(uint8_t *p, size_t size)
{
    if (size > 128) dx_patch_p_store32(p + 112, dx_patch_p_crc32c(0, p + 128, size - 128));
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
}

static void fill(uint8_t *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)(dx_test_random(&seed) >> 24);
}

/* A base and a target by choices: equal parts, moved parts, edits, insertions, deletions. */
static void draw(dx_choices *c, size_t *base_size, size_t *target_size)
{
    size_t n = (size_t)dx_choose(c, 3000), at = 0, used = 0;
    uint64_t kind = dx_choose(c, 2);
    if (kind == 0) dx_choose_bytes(c, base, n);
    else if (kind == 1) fill(base, n, dx_choose(c, 1000));
    else memset(base, (int)dx_choose(c, 255), n);
    while (used < 6000 && dx_choose(c, 9)) {
        uint64_t what = dx_choose(c, 4);
        size_t size = (size_t)dx_choose(c, 700);
        if (what <= 1) { /* a copy, from here or elsewhere */
            if (what == 1) at = (size_t)dx_choose(c, n);
            if (at > n) at = n;
            if (size > n - at) size = n - at;
            memcpy(target + used, base + at, size);
            at += size;
        } else if (what == 2) { /* a copy with changes */
            if (at > n) at = n;
            if (size > n - at) size = n - at;
            memcpy(target + used, base + at, size);
            for (size_t i = 0; i < size; i += 1 + (size_t)dx_choose(c, 40))
                target[used + i] = (uint8_t)(target[used + i] + dx_choose(c, 255));
            at += size;
        } else if (what == 3) {
            fill(target + used, size, dx_choose(c, 1000));
        } else {
            at += size;
            size = 0;
        }
        used += size;
    }
    *base_size = n;
    *target_size = used;
}

/* >>streaming ---------------------------------------------------------- */
typedef struct stream {
    const uint8_t *base;
    size_t base_size, written;
    int fail_read, fail_write, stop; /* after this many calls; 0 = never */
    int reads, writes, progress;
} stream;

static int stream_read(void *user, uint64_t offset, void *p, size_t size)
{
    stream *s = (stream *)user;
    DX_CHECK(offset <= s->base_size && size <= s->base_size - offset);
    if (++s->reads == s->fail_read) return 77;
    memcpy(p, s->base + offset, size);
    return 0;
}

static int stream_write(void *user, const void *p, size_t size)
{
    stream *s = (stream *)user;
    if (++s->writes == s->fail_write) return 78;
    DX_CHECK(size <= sizeof out - s->written);
    memcpy(out + s->written, p, size);
    s->written += size;
    return 0;
}

static int stream_progress(void *user, uint64_t done, uint64_t total)
{
    stream *s = (stream *)user;
    DX_CHECK(done <= total);
    return ++s->progress == s->stop ? 79 : 0;
}

static dx_patch_applier_desc stream_desc(stream *s, const uint8_t *from, size_t size)
{
    dx_patch_applier_desc d;
    memset(s, 0, sizeof *s);
    memset(&d, 0, sizeof d);
    s->base = from;
    s->base_size = size;
    d.user = s;
    d.read = stream_read;
    d.write = stream_write;
    d.progress = stream_progress;
    d.base_size = size;
    d.memory = small;
    d.memory_size = sizeof small;
    return d;
}

static int stream_all(const dx_patch_applier_desc *d, const uint8_t *p, size_t size, size_t step)
{
    dx_patch_applier a;
    int error = dx_patch_applier_init(&a, d);
    for (size_t at = 0; !error && at < size; at += step)
        error = dx_patch_applier_feed(&a, p + at, size - at < step ? size - at : step);
    return error ? error : dx_patch_applier_finish(&a);
}

/* >>properties --------------------------------------------------------- */
DX_PROPERTY(pt_4_delta_round_trip, 1500)
{
    size_t base_size, target_size, size, got;
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    draw(c, &base_size, &target_size);
    if (dx_choose(c, 3) == 0) d.memory_size = 80000;
    if (dx_choose(c, 3) == 0) d.apply_memory_max = 18000 + dx_choose(c, 40000);
    if (dx_choose(c, 7) == 0) d.codings = 1;
    size = create(&d, base_size, target_size);
    DX_CHECK_EQ(apply(base, base_size, patch, size, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
}

DX_PROPERTY(pt_4_pt_9_blocks_apply_and_undo, 1500)
{
    size_t base_size, target_size, size, got;
    dx_patch_header h;
    dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
    draw(c, &base_size, &target_size);
    d.block_size = 64u << dx_choose(c, 10);
    d.one_way = dx_choose(c, 1) != 0;
    d.codings = dx_choose(c, 1) ? 1u << DX_PATCH_CODING_PLAIN : 0;
    size = create(&d, base_size, target_size);
    DX_CHECK_EQ(apply(base, base_size, patch, size, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    memset(out, 0xee, sizeof out);
    memcpy(out, base, base_size);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, 6700, patch, size, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    DX_CHECK(h.reversible || target_size < base_size);
    int error = dx_patch_undo(out, target_size, 6700, patch, size, &got);
    if (!h.reversible) {
        DX_CHECK_EQ(error, DX_PATCH_ENOTSUP);
        DX_CHECK_MEM(out, target, target_size);
        return;
    }
    DX_CHECK_EQ(error, 0);
    DX_CHECK_EQ(got, base_size);
    DX_CHECK_MEM(out, base, got);
}

DX_PROPERTY(pt_15_streaming_in_any_split, 400)
{
    size_t base_size, target_size, size;
    stream s;
    dx_patch_create_desc d = describe(dx_choose(c, 1) ? DX_PATCH_KIND_DELTA : DX_PATCH_KIND_BLOCKS);
    draw(c, &base_size, &target_size);
    d.trailer_size = (uint32_t)dx_choose(c, 3);
    size = create(&d, base_size, target_size);
    memset(patch + size, 0x5a, d.trailer_size);
    dx_patch_applier_desc a = stream_desc(&s, base, base_size);
    a.target_size_max = target_size ? target_size : 1;
    a.memory_size = (size_t)dx_patch_p_load64(patch + 40) + (dx_choose(c, 1) ? 0 : 17000 + (size_t)dx_choose(c, 60000));
    DX_CHECK_EQ(stream_all(&a, patch, size + d.trailer_size, 1 + (size_t)dx_choose(c, 300)), 0);
    DX_CHECK_EQ(s.written, target_size);
    DX_CHECK_MEM(out, target, target_size);
    if (d.kind == DX_PATCH_KIND_DELTA) return;
    a = stream_desc(&s, target, target_size);
    a.undo = true;
    DX_CHECK_EQ(stream_all(&a, patch, size + d.trailer_size, 1 + (size_t)dx_choose(c, 300)), 0);
    DX_CHECK_EQ(s.written, base_size);
    DX_CHECK_MEM(out, base, base_size);
}

/* Any damage: an error or the exact target (if a byte is not covered by any check; there is none). */
DX_PROPERTY(p_damaged_bytes_never_give_wrong_output, 3000)
{
    size_t base_size, target_size, size, got = 0;
    dx_patch_create_desc d = describe(dx_choose(c, 1) ? DX_PATCH_KIND_DELTA : DX_PATCH_KIND_BLOCKS);
    draw(c, &base_size, &target_size);
    size = create(&d, base_size, target_size);
    for (uint64_t n = 1 + dx_choose(c, 3); n; n--) {
        size_t at = (size_t)dx_choose(c, size - 1);
        patch[at] = (uint8_t)(patch[at] ^ (1 + dx_choose(c, 254)));
    }
    if (dx_choose(c, 3)) seal(patch, size); /* an attacker can do that too */
    if (apply(base, base_size, patch, size, &got) == 0) {
        DX_CHECK_EQ(got, target_size);
        DX_CHECK_MEM(out, target, got);
    }
    memcpy(out, base, base_size);
    if (dx_patch_apply_in_place(out, base_size, sizeof out, patch, size, &got) == 0)
        DX_CHECK_MEM(out, target, target_size);
    else
        DX_CHECK_MEM(out, base, base_size);
}

/* Bytes that never were a patch, after a header with valid checksums. */
DX_PROPERTY(p_invented_bodies_are_refused, 5000)
{
    uint8_t p[400];
    size_t body = (size_t)dx_choose(c, 200), got;
    dx_patch_header h;
    memset(&h, 0, sizeof h);
    h.kind = (uint8_t)(1 + dx_choose(c, 1));
    h.coding = h.kind == 2 ? (uint8_t)dx_choose(c, 2) : 0;
    h.block_size = h.kind == 1 ? 64 : 0;
    h.reversible = h.kind == 1;
    h.base_size = (size_t)dx_choose(c, 300);
    h.target_size = (size_t)dx_choose(c, 300);
    h.body_size = body;
    h.memory_size = dx_choose(c, 60000);
    memset(base, 0, 300);
    dx_patch_hash(base, (size_t)h.base_size, h.base_hash);
    dx_choose_bytes(c, p + 128, body);
    if (h.kind == 2 && body > 5) {
        p[128] = (uint8_t)dx_choose(c, 8);
        p[129] = (uint8_t)(32 + dx_choose(c, 2));
        p[130] = (uint8_t)dx_choose(c, 1);
        p[131] = (uint8_t)dx_choose(c, 16);
        p[132] = (uint8_t)(p[131] ? dx_choose(c, 10) : 0);
    }
    dx_patch_p_store_header(p, &h);
    seal(p, 128 + body);
    memset(p + 80, 0xaa, 32);
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
    DX_CHECK(apply(base, (size_t)h.base_size, p, 128 + body, &got) < 0);
}

/* >>damage: small patches of both kinds, every cut and every bit ------------- */
static size_t small_pair(dx_patch_kind kind, size_t *base_size, size_t *target_size)
{
    dx_patch_create_desc d = describe(kind);
    fill(base, 600, 1);
    memcpy(target, base, 250);
    memcpy(target + 250, "something new in between", 24);
    memcpy(target + 274, base + 250, 350);
    target[40] ^= 0x10;
    target[100] ^= 0x99;
    if (kind == DX_PATCH_KIND_BLOCKS) {
        memcpy(target, base, 600);
        target[5] ^= 1;
        target[500] ^= 2;
        memcpy(target + 600, "tail", 4);
        d.block_size = 64;
    }
    *base_size = 600;
    *target_size = kind == DX_PATCH_KIND_BLOCKS ? 604 : 624;
    return create(&d, *base_size, *target_size);
}

DX_TEST(pt_5_every_truncation_is_refused)
{
    for (int kind = 1; kind <= 2; kind++) {
        size_t base_size, target_size, got;
        size_t size = small_pair((dx_patch_kind)kind, &base_size, &target_size);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = (uint8_t *)malloc(cut + 1);
            stream s;
            dx_patch_applier_desc a = stream_desc(&s, base, base_size);
            memcpy(exact, patch, cut);
            int error = apply(base, base_size, exact, cut, &got);
            DX_CHECK_EQ(error, cut ? DX_PATCH_ETRUNCATED : DX_PATCH_ENOPATCH);
            DX_CHECK_EQ(got, 0);
            error = stream_all(&a, exact, cut, 7);
            DX_CHECK_EQ(error, cut ? DX_PATCH_ETRUNCATED : DX_PATCH_ENOPATCH);
            free(exact);
        }
    }
}

DX_TEST(w_2_every_bit_flip_and_every_extra_byte_is_refused)
{
    for (int kind = 1; kind <= 2; kind++) {
        size_t base_size, target_size, got;
        size_t size = small_pair((dx_patch_kind)kind, &base_size, &target_size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            stream s;
            dx_patch_applier_desc a = stream_desc(&s, base, base_size);
            patch[bit / 8] ^= (uint8_t)(1 << bit % 8);
            DX_CHECK(apply(base, base_size, patch, size, &got) < 0);
            DX_CHECK_EQ(got, 0);
            DX_CHECK(stream_all(&a, patch, size, 64) < 0);
            patch[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        patch[size] = 0;
        DX_CHECK_EQ(apply(base, base_size, patch, size + 1, &got), DX_PATCH_ECORRUPT);
        DX_CHECK_EQ(apply(base, base_size, patch, size, &got), 0);
    }
}

/* The same flips with the checksums fixed: only the target's hash can detect them. */
DX_TEST(w_50_every_bit_flip_under_right_checksums_gives_no_wrong_target)
{
    for (int kind = 1; kind <= 2; kind++) {
        size_t base_size, target_size, got;
        size_t size = small_pair((dx_patch_kind)kind, &base_size, &target_size);
        uint8_t *copy = (uint8_t *)malloc(size);
        memcpy(copy, patch, size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            memcpy(patch, copy, size);
            patch[bit / 8] ^= (uint8_t)(1 << bit % 8);
            seal(patch, size);
            if (apply(base, base_size, patch, size, &got) != 0) continue;
            DX_CHECK_EQ(got, target_size);
            DX_CHECK_MEM(out, target, got);
        }
        free(copy);
    }
}

/* >>header ------------------------------------------------------------- */
static int info_with(size_t at, uint8_t value)
{
    uint8_t p[128];
    dx_patch_header h;
    memcpy(p, patch, 128);
    p[at] = value;
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
    return dx_patch_info(p, sizeof p, &h);
}

DX_TEST(pt_10_unknown_versions_kinds_and_flags_are_refused)
{
    size_t base_size, target_size;
    small_pair(DX_PATCH_KIND_DELTA, &base_size, &target_size);
    DX_CHECK_EQ(info_with(0, 'D'), 0);
    DX_CHECK_EQ(info_with(0, 'E'), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(3, '2'), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(4, 1), DX_PATCH_EVERSION); /* as written by v0.1.0 */
    DX_CHECK_EQ(info_with(4, 2), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(4, 4), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(5, 3), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(5, 0), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(6, 99), DX_PATCH_EVERSION); /* W-2: the algorithm byte is checked */
    DX_CHECK_EQ(info_with(7, 4), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(7, 3), DX_PATCH_EHEADER); /* of blocks only */
    DX_CHECK_EQ(info_with(7, 2), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(36, 2), DX_PATCH_EVERSION);
    DX_CHECK_EQ(info_with(36, 1), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(32, 64), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(31, 255), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(23, 255), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(120, 1), DX_PATCH_EVERSION);
    small_pair(DX_PATCH_KIND_BLOCKS, &base_size, &target_size);
    DX_CHECK_EQ(info_with(32, 63), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(32, 0), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(7, 1), DX_PATCH_EHEADER);
    DX_CHECK_EQ(info_with(4, 2), DX_PATCH_EVERSION);
}

/* Patches of v0.1.0 had other parameters: refused because of their version, never misread. */
DX_TEST(pt_10_deltas_of_earlier_layouts_are_refused)
{
    size_t base_size, target_size, got, size = small_pair(DX_PATCH_KIND_DELTA, &base_size, &target_size);
    for (uint8_t layout = 0; layout < 64; layout++) {
        patch[129] = layout;
        seal(patch, size);
        if (layout / 2 != 17) DX_CHECK_EQ(apply(base, base_size, patch, size, &got), DX_PATCH_EVERSION);
    }
}

DX_TEST(w_8_limits_are_checked_before_anything_else)
{
    size_t base_size, target_size, size = small_pair(DX_PATCH_KIND_DELTA, &base_size, &target_size);
    stream s;
    dx_patch_applier_desc a = stream_desc(&s, base, base_size);
    dx_patch_header h;
    a.target_size_max = target_size - 1;
    DX_CHECK_EQ(stream_all(&a, patch, size, 50), DX_PATCH_ETOOBIG);
    DX_CHECK_EQ(s.reads + s.writes, 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    a = stream_desc(&s, base, base_size);
    a.memory_size = (size_t)h.memory_size - 1;
    DX_CHECK_EQ(stream_all(&a, patch, size, 50), DX_PATCH_ENOMEM);
    DX_CHECK_EQ(s.reads + s.writes, 0);
    a.memory_size++;
    DX_CHECK_EQ(stream_all(&a, patch, size, 50), 0);
    /* A few bytes that claim 4 GiB and more: refused by size, and nothing is written. */
    dx_patch_p_store64(patch + 16, (uint64_t)1 << 40);
    seal(patch, size);
    a = stream_desc(&s, base, base_size);
    DX_CHECK(stream_all(&a, patch, size, 50) < 0);
    DX_CHECK_EQ(dx_patch_apply(base, base_size, patch, size, out, 1000, &size, small, sizeof small),
                DX_PATCH_ENOSPACE);
}

/* >>bases ---------------------------------------------------------------- */
DX_TEST(w_1_w_54_another_base_is_refused_before_a_byte_is_written)
{
    for (int kind = 1; kind <= 2; kind++) {
        size_t base_size, target_size, got;
        size_t size = small_pair((dx_patch_kind)kind, &base_size, &target_size);
        stream s;
        dx_patch_applier_desc a = stream_desc(&s, base, base_size);
        base[300] ^= 1;
        DX_CHECK_EQ(apply(base, base_size, patch, size, &got), DX_PATCH_EBASE);
        DX_CHECK_EQ(stream_all(&a, patch, size, 1000), DX_PATCH_EBASE);
        DX_CHECK_EQ(s.writes, 0);
        DX_CHECK_EQ(apply(base, base_size - 1, patch, size, &got), DX_PATCH_EBASE);
        memcpy(out, base, base_size);
        DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, 2000, patch, size, &got),
                    kind == 1 ? DX_PATCH_EBASE : DX_PATCH_ENOTSUP);
        DX_CHECK_MEM(out, base, base_size);
    }
}

DX_TEST(pt_10_a_patch_applied_twice_is_refused_as_such)
{
    size_t base_size, target_size, got, size;
    size = small_pair(DX_PATCH_KIND_DELTA, &base_size, &target_size);
    DX_CHECK_EQ(apply(target, target_size, patch, size, &got), DX_PATCH_EAPPLIED);
    size = small_pair(DX_PATCH_KIND_BLOCKS, &base_size, &target_size);
    memcpy(out, base, base_size);
    DX_CHECK_EQ(dx_patch_undo(out, base_size, 700, patch, size, &got), DX_PATCH_EAPPLIED);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, 700, patch, size, &got), 0);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, got, 700, patch, size, &got), DX_PATCH_EAPPLIED);
    DX_CHECK_MEM(out, target, target_size);
}

/* >>in place ------------------------------------------------------------ */
DX_TEST(pt_11_w_4_in_place_is_all_or_nothing)
{
    size_t base_size, target_size, got, size;
    size = small_pair(DX_PATCH_KIND_BLOCKS, &base_size, &target_size);
    memcpy(out, base, base_size);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, base_size, patch, size, &got),
                DX_PATCH_ENOSPACE);
    DX_CHECK_MEM(out, base, base_size);
    patch[80] ^= 1; /* a target hash that does not match the result */
    seal(patch, size);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, 700, patch, size, &got), DX_PATCH_ETARGET);
    DX_CHECK_MEM(out, base, base_size);
    small_pair(DX_PATCH_KIND_BLOCKS, &base_size, &target_size);
    patch[size - 1 - 4 - 1] = 100; /* the last run exceeds its block: detected before any byte is written */
    seal(patch, size);
    DX_CHECK(dx_patch_apply_in_place(out, base_size, 700, patch, size, &got) < 0);
    DX_CHECK_MEM(out, base, base_size);
}

/* A block patch by hand: the test chooses the bytes of its records. */
static int by_hand(const uint8_t *body, size_t size, size_t base_size, size_t target_size)
{
    dx_patch_header h;
    size_t got;
    memset(&h, 0, sizeof h);
    h.kind = DX_PATCH_KIND_BLOCKS;
    h.reversible = true;
    h.block_size = 64;
    h.base_size = base_size;
    h.target_size = target_size;
    h.body_size = size;
    h.memory_size = 1040;
    memset(base, 0, base_size);
    dx_patch_hash(base, base_size, h.base_hash);
    memcpy(patch + 128, body, size);
    dx_patch_p_store_header(patch, &h);
    seal(patch, 128 + size);
    int error = apply(base, base_size, patch, 128 + size, &got);
    memset(out, 0, base_size);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, base_size, 1000, patch, 128 + size, &got), error);
    return error;
}

DX_TEST(w_8_no_memory_at_all_is_refused_whatever_the_header_says)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
    size_t size, got;
    memset(base, 1, 100);
    memset(target, 2, 100);
    size = create(&d, 100, 100);
    DX_CHECK_EQ(dx_patch_apply(base, 100, patch, size, out, sizeof out, &got, small, 0),
                DX_PATCH_ENOMEM);
    memset(patch + 40, 0, 8);
    seal(patch, size);
    DX_CHECK_EQ(dx_patch_apply(base, 100, patch, size, out, sizeof out, &got, small, 0),
                DX_PATCH_EHEADER);
}

DX_TEST(pt_11_in_place_wants_zeros_behind_a_shrunk_target)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
    size_t size, got;
    memset(base, 7, 200);
    memset(target, 7, 100);
    size = create(&d, 200, 100);
    patch[size - 1] ^= 1; /* the last byte that the shrinking removes */
    seal(patch, size);
    memcpy(out, base, 200);
    DX_CHECK_EQ(dx_patch_apply_in_place(out, 200, 200, patch, size, &got), DX_PATCH_ECORRUPT);
    DX_CHECK_MEM(out, base, 200);
    DX_CHECK_EQ(apply(base, 200, patch, size, &got), DX_PATCH_ECORRUPT);
}

DX_TEST(p_a_segment_at_the_middle_of_all_addresses_is_harmless)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    size_t i, size, got, n = 65536;
    fill(base, n, 5);
    memset(base, 0, 120);
    memcpy(base, "\177ELF\2\1", 6);
    base[32] = 64; /* one program header, right after this one */
    base[54] = 56;
    base[56] = base[64] = 1;
    base[64 + 16 + 7] = 0x80; /* its address: 2^63 */
    base[64 + 32 + 2] = base[64 + 40 + 2] = 1;
    memcpy(target, base, n);
    for (i = 4096; i < n; i += 64) {
        memset(base + i, 0, 8);
        base[i + 7] = 0x80;
        base[i + 1] = (uint8_t)(i >> 10);
        memcpy(target + i, base + i, 8);
        target[i + 1]++;
    }
    memmove(target + 2048, target + 2040, n - 2048);
    size = create(&d, n, n);
    DX_CHECK_EQ(apply(base, n, patch, size, &got), 0);
    DX_CHECK_MEM(out, target, n);
}

/* An image linked at another address than 0: words that point into it, at targets that successive insertions have moved
   further and further. */
static size_t image_with_pointers(uint32_t address)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    uint32_t i, k, more, size, n = 65536;
    size_t got;
    fill(base, n, 5);
    for (i = 0; i < 16384; i += 8) dx_patch_p_store32(base + i, address + i * 2654435761u % n);
    memcpy(target, base, 16384);
    for (k = 4; k < 16; k++) { /* 4096 bytes, then k * 4 new ones */
        for (more = 0, i = 4; i < k; i++) more += 4 * i;
        memcpy(target + 4096 * k + more, base + 4096 * k, 4096);
        fill(target + 4096 * (k + 1) + more, 4 * k, k);
        for (i = 0; i < 16384; i += 8) {
            uint32_t p = dx_patch_p_load32(base + i);
            if ((p - address) / 4096 == k) dx_patch_p_store32(target + i, p + more);
        }
    }
    size = (uint32_t)create(&d, n, n + more);
    DX_CHECK_EQ(apply(base, n, patch, size, &got), 0);
    DX_CHECK_MEM(out, target, n + more);
    return size;
}

DX_TEST(p_an_image_without_headers_is_found_where_it_runs)
{
    /* most of 2048 words have changed: 2,185 bytes if it is taken to start at 0 */
    DX_CHECK(image_with_pointers(0x08004000) < 1000);
    DX_CHECK(image_with_pointers(0xfffe0000u) < 1000);
    DX_CHECK(image_with_pointers(0x00100000) < 1000);
}

DX_TEST(pt_2_w_3_w_5_records_stay_inside_their_block_and_file)
{
    static const uint8_t good[] = {0, 1, 0, 1, 0xaa}, long_run[] = {0, 1, 60, 5, 1, 2, 3, 4, 5};
    static const uint8_t past_block[] = {0, 1, 64, 1, 1}, empty[] = {0, 1, 0, 0}, none[] = {0, 0};
    static const uint8_t past_file[] = {2, 1, 0, 1, 1}, inside_gap[] = {1, 1, 36, 1, 1};
    static const uint8_t many[] = {0, 0xff, 0xff, 0xff, 0xff, 15, 0, 1, 1};
    static const uint8_t wide[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0, 1, 1};
    static const uint8_t wider[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 3, 1, 0, 1, 1};
    static const uint8_t wrap[] = {0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 1};
    DX_CHECK_EQ(by_hand(good, sizeof good, 100, 100), DX_PATCH_ETARGET);
    DX_CHECK_EQ(by_hand(long_run, sizeof long_run, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(past_block, sizeof past_block, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(empty, sizeof empty, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(none, sizeof none, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(past_file, sizeof past_file, 100, 100), DX_PATCH_EBOUNDS);
    DX_CHECK_EQ(by_hand(inside_gap, sizeof inside_gap, 100, 100), DX_PATCH_EBOUNDS);
    DX_CHECK_EQ(by_hand(many, sizeof many, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(wide, sizeof wide, 100, 100), DX_PATCH_EBOUNDS);
    DX_CHECK_EQ(by_hand(wider, sizeof wider, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(by_hand(wrap, sizeof wrap, 100, 100), DX_PATCH_EBLOCK);
    DX_CHECK_EQ(dx_patch_error_wire(DX_PATCH_EBOUNDS), 7);
}

DX_TEST(w_7_growing_inside_the_last_partial_block)
{
    for (size_t n = 1; n < 200; n += 7)
        for (size_t m = 1; m < 200; m += 5) {
            dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
            size_t got;
            d.block_size = 64;
            fill(base, n, n);
            fill(target, m, m + 1);
            size_t size = create(&d, n, m);
            DX_CHECK_EQ(apply(base, n, patch, size, &got), 0);
            DX_CHECK_EQ(got, m);
            DX_CHECK_MEM(out, target, m);
        }
}

/* >>edge inputs ---------------------------------------------------------- */
DX_TEST(pt_6_w_6_w_51_empty_identical_growing_and_shrinking)
{
    static const size_t sizes[] = {0, 1, 11, 12, 13, 63, 64, 65, 4095, 4096, 4097, 5000, 70000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    for (int kind = 1; kind <= 2; kind++)
        for (size_t i = 0; i < COUNT; i++)
            for (size_t k = 0; k < COUNT; k++) {
                dx_patch_create_desc d = describe((dx_patch_kind)kind);
                dx_patch_header h;
                size_t got, size;
                fill(base, sizes[i], 3);
                fill(target, sizes[k], 3); /* one is a prefix of the other */
                size = create(&d, sizes[i], sizes[k]);
                DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
                DX_CHECK(h.base_size == sizes[i] && h.target_size == sizes[k]); /* W-6: both are stated */
                DX_CHECK_EQ(apply(base, sizes[i], patch, size, &got), 0);
                DX_CHECK_EQ(got, sizes[k]);
                DX_CHECK_MEM(out, target, got);
                if (i == k) DX_CHECK(size <= 128 + 64);
                if (kind == 2 && k < i) DX_CHECK(size <= 128 + 64); /* W-51: 5000 -> 4000 */
            }
}

DX_TEST(pt_14_many_blocks_and_insertions)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
    size_t got, size;
    fill(base, 100000, 9);
    memcpy(target, base, 100000);
    for (size_t i = 0; i < 100000; i += 64) target[i] ^= 0x77;
    d.block_size = 64;
    size = create(&d, 100000, 100000);
    DX_CHECK(size < 100000 / 64 * 6 + 200);
    DX_CHECK_EQ(apply(base, 100000, patch, size, &got), 0);
    DX_CHECK_MEM(out, target, 100000);
    /* W-52: one inserted byte must not cost the whole file, nor may +1 -2 +1 be missed. */
    memcpy(target, base, 5000);
    target[5000] = 1;
    memcpy(target + 5001, base + 5000, 95000);
    target[50001]++;
    target[50002] = (uint8_t)(target[50002] - 2);
    target[50003]++;
    d = describe(DX_PATCH_KIND_DELTA);
    size = create(&d, 100000, 100001);
    DX_CHECK(size < 300);
    DX_CHECK_EQ(apply(base, 100000, patch, size, &got), 0);
    DX_CHECK_EQ(got, 100001);
    DX_CHECK_MEM(out, target, got);
}

DX_TEST(p_periodic_and_random_inputs_take_no_pathological_time)
{
    for (uint64_t kind = 0; kind < 6; kind++) {
        dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
        size_t got;
        for (size_t i = 0; i < MOST - 200; i++) {
            static const size_t periods[] = {1, 2, 13, 256, 251, 7};
            base[i] = (uint8_t)(kind == 3 ? i >> 8 : i % periods[kind]);
            target[i] = (uint8_t)(kind == 5 ? (i * i) >> 7 : base[i]);
            if (kind == 4 && i % 29 == 0) target[i] ^= 1;
            if (kind == 1 && i % 40 == 0) target[i] = 9;
        }
        size_t size = create(&d, MOST - 200, MOST - 200);
        DX_CHECK_EQ(apply(base, MOST - 200, patch, size, &got), 0);
        DX_CHECK_MEM(out, target, MOST - 200);
    }
}

/* From 1 MiB on, only what the target needs is indexed, as long as that is little. */
DX_TEST(p_large_bases_of_few_and_of_many_changes)
{
    enum { SIZE = 1200000, SHORT = 40 };
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    uint8_t *from = (uint8_t *)malloc(SIZE), *to = (uint8_t *)malloc(SIZE), *made = (uint8_t *)malloc(SIZE);
    size_t bound = dx_patch_bound(&d, SIZE, SIZE), sizes[3], got;
    uint8_t *p = (uint8_t *)malloc(bound);
    d.memory_size = dx_patch_create_memory_size(&d, SIZE, SIZE);
    d.memory = malloc(d.memory_size);
    fill(from, SIZE, 77);
    for (int kind = 0; kind < 3; kind++) { /* two places; short pieces in another order; half of it new */
        memcpy(to, from, SIZE);
        for (size_t i = 0; kind == 0 && i < SHORT; i++) to[400000 + i] = from[900001 + i];
        for (size_t i = 0; kind == 0 && i < 8; i++) to[100001 + i] ^= 0x55;
        for (size_t i = 0; kind == 1 && i < SIZE; i++)
            to[i] = from[(i / SHORT * 7919 % (SIZE / SHORT)) * SHORT + i % SHORT];
        if (kind == 2) fill(to, SIZE / 2, 78);
        DX_CHECK_EQ(dx_patch_create(&d, from, SIZE, to, SIZE, p, bound, &sizes[kind]), 0);
        DX_CHECK_EQ(dx_patch_apply(from, SIZE, p, sizes[kind], made, SIZE, &got, d.memory, d.memory_size), 0);
        DX_CHECK_EQ(got, SIZE);
        DX_CHECK_MEM(made, to, SIZE);
    }
    DX_CHECK(sizes[0] < 220 && sizes[1] < SIZE / SHORT * 7 && sizes[2] < SIZE / 2 + 1000);
    free(from);
    free(to);
    free(made);
    free(p);
    free(d.memory);
}

/* Half of the bytes match at any place: a wrong place must not win because it extends far. */
DX_TEST(p_pieces_of_two_byte_characters_are_found_again)
{
    enum { PIECE = 1000, PIECES = (MOST - 200) / PIECE };
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    uint64_t seed = 3;
    size_t got, size = (size_t)PIECE * PIECES;
    for (size_t i = 0; i < size; i++) base[i] = (uint8_t)(i % 2 ? 0 : "0123456789abcdef"[dx_test_random(&seed) >> 60]);
    for (size_t i = 0; i < PIECES; i++) memcpy(target + i * PIECE, base + i * 37 % PIECES * PIECE, PIECE);
    size = create(&d, size, size);
    DX_CHECK(size < 10 * PIECES);
    DX_CHECK_EQ(apply(base, (size_t)PIECE * PIECES, patch, size, &got), 0);
    DX_CHECK_MEM(out, target, (size_t)PIECE * PIECES);
}

/* Two builds of a kind of program: calls, operands and pointers into code that moved. */
static size_t program(uint8_t *p, const size_t *pads)
{
    size_t starts[64], at = 64, k = 7;
    uint64_t seed = 5;
    for (size_t f = 0; f < 64; f++) {
        at += pads[f];
        starts[f] = at;
        at += 400;
    }
    fill(p, at, 17);
    for (size_t f = 0; f < 64; f++)
        for (size_t i = 0; i < 400; i++) p[starts[f] + i] = (uint8_t)(dx_test_random(&seed) >> 60);
    for (size_t f = 0; f < 64; f++)
        for (size_t i = 10; i < 390; i += 20) {
            k = (k * 5 + 3) % 64;
            p[starts[f] + i] = (uint8_t)(i % 3 ? 0xe8 : 0x05);
            if (i % 3 == 0) p[starts[f] + i - 1] = 0x8b;
            dx_patch_p_store32(p + starts[f] + i + 1, (uint32_t)(starts[k] - (starts[f] + i + 5)));
        }
    at = (at + 7) & ~(size_t)7;
    for (size_t f = 0; f < 64; f++, at += 8) dx_patch_p_store64(p + at, starts[(f * 11) % 64]);
    return at;
}

/* Base and target: from function `first` on, the target has insertions. */
static void two_programs(size_t first, size_t *base_size, size_t *target_size)
{
    size_t pads[64], f;
    for (f = 0; f < 64; f++) pads[f] = 0;
    *base_size = program(base, pads);
    for (f = first; f < 64; f += 3) pads[f] = 16 + f;
    *target_size = program(target, pads);
}

DX_TEST(p_references_of_moved_code_are_predicted)
{
    size_t got, n, m, with, without;
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    two_programs(0, &n, &m);
    with = create(&d, n, m);
    DX_CHECK_EQ(apply(base, n, patch, with, &got), 0);
    DX_CHECK_EQ(got, m);
    DX_CHECK_MEM(out, target, m);
    d.apply_memory_max = 19000; /* too little for the map: same result, larger patch */
    without = create(&d, n, m);
    DX_CHECK_EQ(apply(base, n, patch, without, &got), 0);
    DX_CHECK_MEM(out, target, m);
    DX_CHECK(with * 10 < without * 8);
}

DX_TEST(p_a_piece_that_is_there_twice_hides_nothing_behind_it)
{
    size_t got, n, m, once, twice;
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    two_programs(32, &n, &m);
    once = create(&d, n, m);
    DX_CHECK(once > 0 && m + 200 <= sizeof target);
    for (size_t i = 0; i < 200; i++) target[m + i] = base[600 + i];
    twice = create(&d, n, m + 200);
    DX_CHECK_EQ(apply(base, n, patch, twice, &got), 0);
    DX_CHECK_MEM(out, target, m + 200);
    DX_CHECK(twice < once + 40);
}

DX_TEST(p_apply_memory_limit_is_kept)
{
    for (uint64_t limit = 9000; limit < 60000; limit += 1500) {
        dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
        dx_patch_header h;
        size_t size, got;
        fill(base, 3000, 4);
        memcpy(target, base + 100, 2900);
        d.apply_memory_max = limit;
        int error = dx_patch_create(&d, base, 3000, target, 2900, patch, sizeof patch, &size);
        if (limit < 18000 && error == DX_PATCH_ETOOBIG) continue;
        DX_CHECK_EQ(error, 0);
        DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
        DX_CHECK(h.memory_size <= limit);
        DX_CHECK_EQ(dx_patch_apply(base, 3000, patch, size, out, 2900, &got, small,
                                   (size_t)h.memory_size), 0);
    }
}

/* >>callbacks and contracts -------------------------------------------------- */
static int count_lots(void *user, const void *p, size_t size)
{
    size_t *whole = (size_t *)user;
    DX_CHECK(whole[1] == 0); /* only the last one may have another size */
    whole[0] += size;
    whole[1] = size % 16384;
    return memcmp(target + whole[0] - size, p, size) != 0;
}

DX_TEST(pt_15_more_memory_makes_larger_writes)
{
    for (int kind = 1; kind <= 2; kind++) {
        static const size_t more[] = {17417, 20000, 66000, 200000};
        dx_patch_create_desc d = describe((dx_patch_kind)kind);
        fill(base, 120000, 8);
        memcpy(target, base, 120000);
        for (size_t i = 0; i < 110000; i += 1 + i % 900) target[i] ^= 0x55;
        size_t size = create(&d, 120000, 110000);
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
            stream s;
            size_t count[2] = {0, 0};
            dx_patch_applier_desc a = stream_desc(&s, base, 120000);
            a.user = count;
            a.base = base;
            a.write = count_lots;
            a.progress = NULL;
            a.memory_size = (size_t)dx_patch_p_load64(patch + 40) + more[i];
            DX_CHECK(a.memory_size <= sizeof small);
            DX_CHECK_EQ(stream_all(&a, patch, size, 1000), 0);
            DX_CHECK_EQ(count[0], 110000);
        }
    }
}

DX_TEST(pt_15_callback_errors_pass_through)
{
    for (int kind = 1; kind <= 2; kind++) {
        size_t base_size, target_size;
        size_t size = small_pair((dx_patch_kind)kind, &base_size, &target_size);
        for (int n = 1; n < 4; n++) {
            stream s;
            dx_patch_applier a;
            dx_patch_applier_desc d = stream_desc(&s, base, base_size);
            for (int which = 0; which < 3; which++) {
                memset(&s, 0, sizeof s);
                s.base = base;
                s.base_size = base_size;
                if (which == 0) s.fail_read = n > 2 ? 2 : n;
                if (which == 1) s.fail_write = 1;
                if (which == 2) s.stop = n > 2 ? 2 : n;
                DX_CHECK_EQ(dx_patch_applier_init(&a, &d), 0);
                int error = dx_patch_applier_feed(&a, patch, size);
                DX_CHECK_EQ(error, which == 2 ? DX_PATCH_ECANCELED : DX_PATCH_ESYS);
                DX_CHECK_EQ(dx_patch_applier_callback_result(&a), 77 + which);
                DX_CHECK_EQ(dx_patch_applier_feed(&a, patch, size), error);
                DX_CHECK_EQ(dx_patch_applier_finish(&a), error);
            }
        }
    }
}

DX_TEST(pt_15_the_state_machine_names_what_is_missing)
{
    stream s;
    dx_patch_applier a;
    dx_patch_applier_desc d = stream_desc(&s, base, 0);
    DX_CHECK_EQ(dx_patch_applier_init(&a, &d), 0);
    DX_CHECK_EQ(dx_patch_applier_finish(&a), DX_PATCH_ENOPATCH);
    d.read = NULL;
    DX_CHECK_EQ(dx_patch_applier_init(&a, &d), DX_PATCH_ENOBASE);
    DX_CHECK_EQ(dx_patch_error_wire(dx_patch_applier_finish(&a)), 5);
    d.memory = NULL;
    DX_CHECK_EQ(dx_patch_applier_init(&a, &d), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_error_wire(DX_PATCH_ECORRUPT), 1);
    DX_CHECK_EQ(dx_patch_error_wire(DX_PATCH_EVERSION), 2);
    DX_CHECK_EQ(dx_patch_error_wire(DX_PATCH_ETRUNCATED), 3);
    DX_CHECK_EQ(dx_patch_error_wire(DX_PATCH_EBLOCK), 4);
    DX_CHECK_STR(dx_patch_error_name(DX_PATCH_EBASE), "DX_PATCH_EBASE");
    DX_CHECK_STR(dx_patch_error_name(-1000), "unknown error");
}

DX_TEST(p_create_refuses_bad_arguments)
{
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    size_t size;
    DX_CHECK_EQ(dx_patch_create(NULL, base, 1, target, 1, patch, 500, &size), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_create(&d, NULL, 1, target, 1, patch, 500, &size), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, NULL, 1, patch, 500, &size), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 127, &size), DX_PATCH_ENOSPACE);
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 130, &size), DX_PATCH_ENOSPACE);
    d.memory_size = 1000;
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 500, &size), DX_PATCH_ENOMEM);
    d = describe((dx_patch_kind)3);
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 500, &size), DX_PATCH_EINVAL);
    d = describe(DX_PATCH_KIND_BLOCKS);
    d.block_size = 100;
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 500, &size), DX_PATCH_EINVAL);
    d = describe(DX_PATCH_KIND_DELTA);
    d.codings = 1u << 5;
    DX_CHECK_EQ(dx_patch_create(&d, base, 1, target, 1, patch, 500, &size), DX_PATCH_ENOTSUP);
}

/* With vectors, whole subtrees of chunks are hashed in parallel: any split gives the same hash. */
DX_PROPERTY(p_blake3_in_any_split, 300)
{
    uint8_t one[32], other[32];
    dx_patch_p_blake3 h;
    size_t size = (size_t)dx_choose(c, MOST), at = 0;
    fill(base, size, (uint32_t)size);
    dx_patch_hash(base, size, one);
    dx_patch_p_hash_start(&h);
    while (at < size) {
        size_t part = (size_t)(dx_choose(c, 1) ? 1024 * dx_choose(c, 64) : dx_choose(c, 9000));
        part = part < size - at ? part : size - at;
        dx_patch_p_hash_update(&h, base + at, part);
        at += part;
        if (!part) {
            dx_patch_p_hash_update(&h, base + at, 1);
            at++;
        }
    }
    dx_patch_p_hash_finish(&h, other);
    DX_CHECK_MEM(one, other, 32);
    dx_patch_p_hash_start(&h); /* without vectors: never 8 chunks at a time */
    for (at = 0; at < size; at += 1000) dx_patch_p_hash_update(&h, base + at, size - at < 1000 ? size - at : 1000);
    dx_patch_p_hash_finish(&h, other);
    DX_CHECK_MEM(one, other, 32);
}

/* >>versions ------------------------------------------------------------ */
DX_TEST(pt_12_w_10_versions_leave_in_the_order_they_came)
{
    dx_versions_entry slots[3], gone;
    dx_versions v;
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    uint8_t hash[32];
    size_t size, got;
    fill(base, 6000, 12);
    DX_CHECK_EQ(dx_versions_init(&v, slots, 3), 0);
    for (size_t i = 0; i < 5; i++) {
        DX_CHECK_EQ(dx_versions_add(&v, base + i, 5000, &gone), 0);
        DX_CHECK(gone.data == (i < 3 ? NULL : base + i - 3));
        DX_CHECK_EQ(dx_versions_add(&v, base + i, 5000, &gone), 0);
        DX_CHECK(!gone.data); /* a duplicate evicts nothing */
    }
    dx_patch_hash(base + 1, 5000, hash);
    DX_CHECK(dx_versions_find(&v, hash) == NULL);
    memcpy(target, base, 6000);
    DX_CHECK_EQ(dx_versions_patch(&v, hash, &d, target, 6000, patch, sizeof patch, &size),
                DX_PATCH_ENOTFOUND);
    dx_patch_hash(base + 2, 5000, hash);
    DX_CHECK_EQ(dx_versions_patch(&v, hash, &d, target, 6000, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(apply(base + 2, 5000, patch, size, &got), 0);
    DX_CHECK_EQ(got, 6000);
    DX_CHECK_MEM(out, target, got);
}

/* >>vectors --------------------------------------------------------------- */
DX_TEST(p_blake3_official_inputs)
{
    static const uint8_t empty[8] = {0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6};
    static const uint8_t one[8] = {0x2d, 0x3a, 0xde, 0xdf, 0xf1, 0x1b, 0x61, 0xf1};
    uint8_t hash[32], expected[32];
    dx_patch_hash(base, 0, hash);
    DX_CHECK_MEM(hash, empty, 8);
    base[0] = 0;
    dx_patch_hash(base, 1, hash);
    DX_CHECK_MEM(hash, one, 8);
    for (size_t i = 0; i < MOST; i++) base[i] = (uint8_t)(i % 251);
    DX_CHECK_EQ(dx_test_vector("docs/formats/patch.md", "blake3-102400", expected, 32), 32);
    dx_patch_hash(base, 102400, hash);
    DX_CHECK_MEM(hash, expected, 32);
}

DX_TEST(pt_13_two_blocks_vector)
{
    static const char *const names[2] = {"blocks", "blocks-brief"};
    for (uint32_t i = 0; i < 2; i++) {
        dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
        uint8_t expected[256];
        size_t size, got, length = dx_test_vector("docs/formats/patch.md", names[i], expected, sizeof expected);
        memset(base, 0, 8192);
        memset(target, 0, 8192);
        target[0] = 0xaa;
        target[4096] = 0xbb;
        d.codings = i ? 0 : 1u << DX_PATCH_CODING_PLAIN;
        size = create(&d, 8192, 8192);
        DX_CHECK_EQ(size, length);
        DX_CHECK_MEM(patch, expected, length);
        DX_CHECK_EQ(apply(base, 8192, expected, length, &got), 0);
        DX_CHECK_MEM(out, target, 8192);
        DX_CHECK_EQ(dx_patch_apply_in_place(base, 8192, 8192, expected, length, &got), 0);
        DX_CHECK_MEM(base, target, 8192);
    }
}

/* 1 % of random changes: little more than their positions and values. Both codings, every way of applying. */
DX_TEST(pt_8_few_changes_take_two_bytes_each)
{
    uint64_t seed = 9;
    size_t got;
    fill(base, MOST, 7);
    memcpy(target, base, MOST);
    for (size_t i = 0; i < MOST / 100; i++) target[dx_test_random(&seed) % MOST] ^= (uint8_t)(1 + dx_test_random(&seed) % 255);
    target[5] = (uint8_t)~target[5]; /* and gaps around the limits of each form */
    target[5 + 224] = (uint8_t)~target[5 + 224];
    memcpy(target + 20000, base + 20000, 40000);
    target[20000 + 4096 + 8159] ^= 1;
    for (size_t i = 60000; i < 60100; i += 1 + i % 4) target[i] ^= 0x55;
    for (uint32_t block = 64; block <= 65536; block *= 4) {
        dx_patch_create_desc d = describe(DX_PATCH_KIND_BLOCKS);
        size_t sizes[2];
        d.block_size = block;
        for (uint32_t i = 0; i < 2; i++) {
            d.codings = i ? 0 : 1u << DX_PATCH_CODING_PLAIN;
            sizes[i] = create(&d, MOST, MOST);
            DX_CHECK_EQ(apply(base, MOST, patch, sizes[i], &got), 0);
            DX_CHECK_MEM(out, target, MOST);
            memcpy(out, base, MOST);
            DX_CHECK_EQ(dx_patch_apply_in_place(out, MOST, MOST, patch, sizes[i], &got), 0);
            DX_CHECK_MEM(out, target, MOST);
            DX_CHECK_EQ(dx_patch_undo(out, MOST, MOST, patch, sizes[i], &got), 0);
            DX_CHECK_MEM(out, base, MOST);
        }
        DX_CHECK(sizes[1] <= sizes[0]);
        if (block >= 4096) DX_CHECK(sizes[1] <= MOST / 100 * 2 + 600);
    }
}

DX_PROPERTY(p_headers_need_not_be_true, 400)
{
    static const uint8_t magics[4][6] = {
        {127, 'E', 'L', 'F', 2, 1}, {127, 'E', 'L', 'F', 1, 1}, {'P', 'E', 0, 0, 0, 0}, {0xcf, 0xfa, 0xed, 0xfe, 0, 0}};
    dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
    size_t size = (size_t)dx_choose(c, 600), kind = (size_t)dx_choose(c, 3), at = 0, got, length;
    dx_choose_bytes(c, base, size);
    if (kind == 2 && size >= 64) {
        memcpy(base, "MZ", 2);
        memset(base + 60, 0, 4);
        base[60] = (uint8_t)dx_choose(c, 255);
        at = base[60];
    }
    if (size >= 6 && at <= size - 6) memcpy(base + at, magics[kind], 6);
    for (size_t i = 0; i < size; i++) /* small numbers match further */
        if (i - at >= 6 && i - at < 64 && dx_choose(c, 2)) base[i] = 0;
    memcpy(target, base, size);
    memset(target + size, 'x', 40);
    if (size > 300) target[299] ^= 1;
    length = create(&d, size, size + 40);
    DX_CHECK(length > 0);
    DX_CHECK_EQ(apply(base, size, patch, length, &got), 0);
    DX_CHECK_MEM(out, target, size + 40);
}

DX_TEST(p_delta_vectors)
{
    static const char old_text[] =
        "The quick brown fox jumps over the lazy dog. 0123456789abcdef";
    static const char new_text[] =
        "The quick brown fox jumped over a lazy dog. 0123456789ABCDEFabcdef";
    static const char list[] = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
    static const char *const names[3] = {"delta-plain", "delta-range", "delta-repeats"};
    char repeats[3 * sizeof list + 4];
    snprintf(repeats, sizeof repeats, "%s; %s; %s", list, list, list);
    for (size_t i = 0; i < 3; i++) {
        const char *text = i < 2 ? new_text : repeats;
        size_t text_size = strlen(text);
        uint8_t expected[300];
        size_t length = dx_test_vector("docs/formats/patch.md", names[i], expected, sizeof expected), got;
        const uint8_t *from = (const uint8_t *)old_text;
        DX_CHECK_EQ(apply(from, sizeof old_text - 1, expected, length, &got), 0);
        DX_CHECK_EQ(got, text_size);
        DX_CHECK_MEM(out, text, got);
        dx_patch_create_desc d = describe(DX_PATCH_KIND_DELTA);
        d.codings = i ? 2 : 1;
        memcpy(base, old_text, sizeof old_text);
        memcpy(target, text, text_size);
        DX_CHECK_EQ(create(&d, sizeof old_text - 1, text_size), length);
        DX_CHECK_MEM(patch, expected, length);
    }
}
