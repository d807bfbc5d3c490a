/* Deltas of streams (dx_patch.h, coding 4): streams in every form, whole deltas of drawn pairs, and both against
   whoever made them. Appliers in memory and while the patch arrives must agree on every input. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { BASE_MAX = 9000, TARGET_MAX = 12000, PATCH_MAX = 2 * TARGET_MAX, CREATE_MEMORY = 24 << 20, APPLY_MEMORY = 1 << 20 };
static uint8_t base[BASE_MAX], target[TARGET_MAX], patch[PATCH_MAX], out[TARGET_MAX], other[TARGET_MAX];
static uint8_t create_memory[CREATE_MEMORY], apply_memory[APPLY_MEMORY];

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

/* Noise, text of a few letters, calls, pointers, or one byte. */
static void fill(uint8_t *p, size_t size, uint64_t sort, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t r = mix(&seed);
        p[i] = (uint8_t)(sort == 0 ? r >> 24 : sort == 1 ? 'a' + r % 3 : sort == 2 ? (uint64_t)"the cat sat on a mat. "[r % 22] : 0);
    }
    for (size_t i = 0; sort > 2 && i + 8 <= size; i += 8) {
        uint64_t r = mix(&seed) % (size + 1);
        if (sort == 3) p[i] = 0xe8, dx_patch_p_store32(p + i + 1, (uint32_t)r - (uint32_t)i);
        else if (sort == 4) dx_patch_p_store64(p + i, 0x400000 + r);
    }
}

/* A target of pieces of the base, changed ones, pieces of its own past, and new ones. */
static void draw(dx_choices *c, size_t *base_size, size_t *target_size)
{
    size_t n = (size_t)dx_choose(c, dx_choose(c, 3) ? 600 : BASE_MAX), at = 0, used = 0;
    fill(base, n, dx_choose(c, 5), dx_choose(c, 255));
    while (used < TARGET_MAX - 2500 && dx_choose(c, 7)) {
        size_t size = (size_t)dx_choose(c, dx_choose(c, 2) ? 200 : 2500);
        uint64_t what = dx_choose(c, 4);
        if (what == 1) at = (size_t)dx_choose(c, n);
        if (what < 3 && size > n - at) size = n - at;
        if (what == 3) {
            fill(target + used, size, dx_choose(c, 2), dx_choose(c, 255));
        } else if (what == 4) {
            size_t from = (size_t)dx_choose(c, used);
            for (size_t i = 0; i < size && from < used + i; i++) target[used + i] = target[from + i];
            if (from == used) size = 0;
        } else {
            memcpy(target + used, base + at, size);
            at += size;
            if (what == 2)
                for (size_t i = 0; i < size; i += 1 + (size_t)dx_choose(c, 60)) target[used + i] ^= (uint8_t)(1 + dx_choose(c, 254));
        }
        used += size;
    }
    *base_size = n;
    *target_size = used;
}

static size_t create(dx_choices *c, size_t base_size, size_t target_size)
{
    dx_patch_create_desc d;
    size_t size = 0;
    memset(&d, 0, sizeof d);
    d.memory = create_memory;
    d.memory_size = dx_choose(c, 3) ? sizeof create_memory : 100000 + (size_t)dx_choose(c, 4000000);
    d.level = (uint32_t)dx_choose(c, 9);
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    DX_CHECK(dx_patch_bound(&d, base_size, target_size) <= sizeof patch);
    DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size), 0);
    return size;
}

static void seal(uint8_t *p, size_t size)
{
    dx_patch_p_store64(p + 24, size - 128);
    dx_patch_p_store32(p + 112, dx_patch_p_crc32c(0, p + 128, size - 128));
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
}

typedef struct sink {
    size_t base_size, written;
} sink;

static int sink_read(void *user, uint64_t offset, void *p, size_t size)
{
    sink *s = (sink *)user;
    DX_CHECK(size && offset <= s->base_size && size <= s->base_size - offset);
    memcpy(p, base + offset, size);
    return 0;
}

static int sink_write(void *user, const void *p, size_t size)
{
    sink *s = (sink *)user;
    DX_CHECK(size && size <= sizeof other - s->written);
    memcpy(other + s->written, p, size);
    s->written += size;
    return 0;
}

/* While it arrives, in such pieces, with the least memory that it says. */
static int arrive(size_t base_size, size_t size, size_t step, size_t memory_size, bool unhashed, size_t *got)
{
    dx_patch_applier a;
    dx_patch_applier_desc d;
    sink s = {base_size, 0};
    memset(&d, 0, sizeof d);
    d.user = &s;
    d.read = sink_read;
    d.write = sink_write;
    d.base_size = base_size;
    d.target_size_max = sizeof other;
    d.memory = apply_memory;
    d.memory_size = memory_size;
    d.skip_target_hash = unhashed;
    int error = dx_patch_applier_init(&a, &d);
    for (size_t at = 0; !error && at < size; at += step)
        error = dx_patch_applier_feed(&a, patch + at, size - at < step ? size - at : step);
    if (!error) error = dx_patch_applier_finish(&a);
    *got = s.written;
    return error;
}

/* The same in memory. */
static int at_once(size_t base_size, size_t size, size_t memory_size, bool unhashed, size_t *got)
{
    dx_patch_applier a;
    dx_patch_applier_desc d;
    memset(&d, 0, sizeof d);
    d.base = base;
    d.base_size = base_size;
    d.out = out;
    d.out_capacity = sizeof out;
    d.memory = apply_memory;
    d.memory_size = memory_size;
    d.skip_target_hash = unhashed;
    int error = dx_patch_applier_init(&a, &d);
    if (!error) error = dx_patch_applier_feed(&a, patch, size);
    if (!error) error = dx_patch_applier_finish(&a);
    *got = error ? 0 : (size_t)a.produced_;
    return error;
}

DX_PROPERTY(pt_4_streams_round_trip, 600)
{
    size_t base_size, target_size, size, got;
    dx_patch_header h;
    draw(c, &base_size, &target_size);
    size = create(c, base_size, target_size);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    DX_CHECK_EQ(at_once(base_size, size, (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    DX_CHECK_EQ(arrive(base_size, size, 1 + (size_t)dx_choose(c, 300), (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(other, target, got);
}

/* Any damage, sealed again: both ways of applying say the same, and no byte is read or written outside. */
DX_PROPERTY(fuzz_streams_damaged, 3000)
{
    size_t base_size, target_size, size, got = 0, got_other = 0;
    int error, error_other;
    draw(c, &base_size, &target_size);
    size = create(c, base_size, target_size);
    for (uint64_t n = 1 + dx_choose(c, 3); n && size > 128; n--) {
        size_t at = 128 + (size_t)dx_choose(c, size - 129);
        patch[at] = (uint8_t)(patch[at] ^ (1 + dx_choose(c, 254)));
    }
    if (dx_choose(c, 7) == 0 && size > 140) size -= 1 + (size_t)dx_choose(c, 10);
    seal(patch, size);
    error = at_once(base_size, size, sizeof apply_memory, true, &got);
    error_other = arrive(base_size, size, 1 + (size_t)dx_choose(c, 200), sizeof apply_memory, true, &got_other);
    DX_CHECK_EQ(!error, !error_other);
    if (error) return;
    DX_CHECK_EQ(got, got_other);
    DX_CHECK_MEM(out, other, got);
}

/* A stream in its smallest form is read again as it was, from its bytes alone, in no more memory than was counted. */
DX_PROPERTY(p_streams_of_every_form, 600)
{
    static dx_patch_p_parser p;
    static uint32_t heads[1 << DX_PATCH_P_HEADS_LOG], links[1 << DX_PATCH_P_REPEAT_LINKS], table[1 << DX_PATCH_P_TABLE_MAX];
    static dx_patch_p_way ways[DX_PATCH_P_WAY_ROOM + 1];
    dx_patch_p_store store = {create_memory, sizeof create_memory, sizeof create_memory, false};
    dx_patch_p_sink to;
    dx_patch_p_streams s;
    dx_patch_p_span got;
    size_t size, ignored;
    draw(c, &ignored, &size);
    memset(&p, 0, sizeof p);
    p.heads = heads;
    p.links = links;
    p.steps = ways;
    p.chain = 8;
    p.links_log = DX_PATCH_P_REPEAT_LINKS;
    memset(&to, 0, sizeof to);
    to.start = to.at = patch;
    to.end = patch + sizeof patch;
    dx_patch_p_put_stream(&to, &p, store, target, size);
    DX_CHECK(!to.full && to.at > to.start);
    memset(&s, 0, sizeof s);
    s.in.at = to.start;
    s.in.end = to.at;
    s.store.at = apply_memory;
    s.store.left = s.store.left_min = sizeof apply_memory;
    s.table = table;
    DX_CHECK(dx_patch_p_read_stream(&s, &got));
    DX_CHECK(dx_patch_p_span_empty(&s.in));
    DX_CHECK_EQ((size_t)(got.end - got.at), size);
    DX_CHECK_MEM(got.at, target, size);
    size_t need = sizeof apply_memory - s.store.left_min; /* one byte less is too little */
    if (!need) return;
    s.in.at = to.start;
    s.store.at = apply_memory;
    s.store.left = s.store.left_min = need - 1;
    DX_CHECK(!dx_patch_p_read_stream(&s, &got) && s.store.full);
}

/* Bytes that no writer wrote: refused, or read within the memory that there is. */
DX_PROPERTY(fuzz_streams_invented, 20000)
{
    static uint32_t table[1 << DX_PATCH_P_TABLE_MAX];
    uint8_t bytes[300];
    size_t size = (size_t)dx_choose(c, sizeof bytes), room = (size_t)dx_choose(c, 5000);
    dx_patch_p_streams s;
    dx_patch_p_span got;
    dx_choose_bytes(c, bytes, size);
    uint8_t *in = (uint8_t *)malloc(size + 1), *store = (uint8_t *)malloc(room + 1); /* the sanitizer sees their ends */
    memcpy(in, bytes, size);
    memset(&s, 0, sizeof s);
    s.in.at = in;
    s.in.end = in + size;
    s.store.at = store;
    s.store.left = s.store.left_min = room;
    s.table = table;
    while (dx_patch_p_read_stream(&s, &got)) DX_CHECK(got.at >= store && got.end <= store + room && got.at <= got.end);
    free(in);
    free(store);
}
