/* Stream deltas (dx_patch.h, coding 4): streams in every form, whole deltas of drawn pairs, and malicious versions of both.
   Appliers in memory and streaming must agree on every input. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { DRAWN = 9000, DRAWN_TARGET = 12000, BASE_MAX = 5 << 20, TARGET_MAX = 5 << 20, PATCH_MAX = 6 << 20,
       CREATE_MEMORY = 64 << 20, APPLY_MEMORY = 8 << 20 };
static uint8_t base[BASE_MAX], target[TARGET_MAX], patch[PATCH_MAX], again[PATCH_MAX], out[TARGET_MAX], other[TARGET_MAX];
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

/* A target of pieces of the base, modified ones, pieces of its own past, and new ones. */
static void draw(dx_choices *c, size_t *base_size, size_t *target_size)
{
    size_t n = (size_t)dx_choose(c, dx_choose(c, 3) ? 600 : DRAWN), at = 0, used = 0;
    fill(base, n, dx_choose(c, 5), dx_choose(c, 255));
    while (used < DRAWN_TARGET - 2500 && dx_choose(c, 7)) {
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
    d.memory_size = dx_choose(c, 3) ? (size_t)24 << 20 : 100000 + (size_t)dx_choose(c, 4000000);
    d.level = (uint32_t)dx_choose(c, 9);
    d.codings = 1u << DX_PATCH_CODING_STREAMS | 1u << DX_PATCH_CODING_PLAIN; /* if there is too little memory for streams */
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

/* Streaming, in pieces of this size, with the least memory that the patch states. */
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

static void round_trip(dx_choices *c)
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

DX_PROPERTY(pt_4_streams_round_trip, 600) { round_trip(c); }
/* The same with pairs and settings that a fuzzer chooses. */
DX_PROPERTY(fuzz_streams_created, 60) { round_trip(c); }

/* Both appliers, with this much memory, return the same result and write the same bytes. Returns the result. */
static int both_ways(dx_choices *c, size_t base_size, size_t size, size_t memory_size, bool unhashed, size_t *got)
{
    size_t got_other = 0;
    int error = at_once(base_size, size, memory_size, unhashed, got);
    int error_other = arrive(base_size, size, 1 + (size_t)dx_choose(c, 200), memory_size, unhashed, &got_other);
    DX_CHECK_EQ(error, error_other);
    if (error) DX_CHECK(strcmp(dx_patch_error_name(error), "unknown error") != 0);
    if (error) return error;
    DX_CHECK_EQ(*got, got_other);
    DX_CHECK_MEM(out, other, *got);
    return 0;
}

/* Levels above 6 never make larger patches than 6; they try the range coder from 8 on. If streams need more memory than applying
   may use, or save nothing, it is tried at any level. */
DX_PROPERTY(pt_4_levels_are_never_larger, 60)
{
    size_t base_size, target_size, size = 0, size_of_6 = 0, got;
    dx_patch_create_desc d;
    dx_patch_header h;
    draw(c, &base_size, &target_size);
    memset(&d, 0, sizeof d);
    d.memory = create_memory;
    d.memory_size = (size_t)24 << 20;
    d.codings = 1u << DX_PATCH_CODING_STREAMS | 1u << DX_PATCH_CODING_RANGE;
    for (d.level = 6; d.level <= 9; d.level++) {
        DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size), 0);
        DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
        DX_CHECK_EQ(both_ways(c, base_size, size, (size_t)h.memory_size, false, &got), 0);
        DX_CHECK_EQ(got, target_size);
        DX_CHECK_MEM(out, target, got);
        if (d.level == 6) size_of_6 = size;
        DX_CHECK(size <= size_of_6);
    }
    d.level = 6;
    d.apply_memory_max = 30000 + dx_choose(c, 100000);
    DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    DX_CHECK(h.memory_size <= d.apply_memory_max);
    d.codings = 1u << DX_PATCH_CODING_RANGE;
    DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, again, sizeof again, &got), 0);
    if (h.coding != DX_PATCH_CODING_STREAMS) DX_CHECK_EQ(size, got);
}

/* Copies from all distances, of all lengths, overlapping themselves: the same in memory and through a window, also where it
   wraps. */
DX_PROPERTY(pt_4_periods, 60)
{
    size_t period = 1 + (size_t)dx_choose(c, dx_choose(c, 1) ? 40 : 5000), size, got, target_size = (size_t)dx_choose(c, 200000);
    uint64_t seed = dx_choose(c, 255);
    dx_patch_header h;
    for (size_t i = 0; i < target_size; i++) {
        target[i] = (uint8_t)(i < period ? mix(&seed) >> 24 : target[i - period]);
        if (!(mix(&seed) % 5000)) target[i] ^= 1;
    }
    fill(base, 5000, 0, seed & 255);
    size = create(c, 5000, target_size);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    DX_CHECK_EQ(both_ways(c, 5000, size, (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
}

/* Any damage, sealed again: both appliers agree, and no access is out of bounds. */
DX_PROPERTY(fuzz_streams_damaged, 600)
{
    size_t base_size, target_size, size, got = 0;
    draw(c, &base_size, &target_size);
    size = create(c, base_size, target_size);
    for (uint64_t n = 1 + dx_choose(c, 3); n && size > 128; n--) {
        size_t at = 128 + (size_t)dx_choose(c, size - 129);
        patch[at] = (uint8_t)(patch[at] ^ (1 + dx_choose(c, 254)));
    }
    if (dx_choose(c, 7) == 0 && size > 140) size -= 1 + (size_t)dx_choose(c, 10);
    seal(patch, size);
    (void)both_ways(c, base_size, size, APPLY_MEMORY, true, &got);
}

/* What the patches contained, to be sure that no feature was tested in name only. */
static struct {
    uint64_t patches, maps, indexes, sections, forms[4], plain_modes[3], hinted_modes[3], split, whole, apart, in_turns,
        refused, accepted;
} had;

/* A patch whose streams are all raw and have some symbols replaced. */
typedef struct rewriter {
    dx_choices *c; /* or NULL: nothing is changed */
    dx_patch_p_streams in;
    uint8_t *at;
    size_t decoded;
    uint32_t changes; /* how many remain */
} rewriter;

static void put_number(rewriter *r, uint64_t v)
{
    for (; v > 127; v >>= 7) *r->at++ = (uint8_t)(v | 128);
    *r->at++ = (uint8_t)v;
}

static dx_patch_p_span rewrite_bytes(rewriter *r, dx_patch_p_span got)
{
    size_t size = (size_t)(got.end - got.at);
    dx_patch_p_span now = {r->at, r->at + size};
    if (size) memcpy(r->at, got.at, size);
    if (r->c && r->changes && size && dx_choose(r->c, 7) == 0) {
        size_t at = (size_t)dx_choose(r->c, size - 1);
        r->changes--;
        r->at[at] = dx_choose(r->c, 1) ? (uint8_t)(r->at[at] + 1 - 2 * dx_choose(r->c, 1)) : (uint8_t)dx_choose(r->c, 255);
    }
    r->at += size;
    return now;
}

static dx_patch_p_span rewrite_stream(rewriter *r, bool inner)
{
    dx_patch_p_span got;
    had.forms[*r->in.in.at & 3]++;
    DX_CHECK(inner ? dx_patch_p_read_inner(&r->in, &got) : dx_patch_p_read_stream(&r->in, &got));
    put_number(r, 4 * (uint64_t)(got.end - got.at));
    r->decoded += (size_t)(got.end - got.at);
    return rewrite_bytes(r, got);
}

static void rewrite_shelf(rewriter *r, uint64_t *modes)
{
    uint32_t head = *r->in.in.at++;
    *r->at++ = (uint8_t)head;
    modes[head & 3]++;
    if ((head & 3) == DX_PATCH_P_SHELF_BYTE) rewrite_stream(r, false);
    for (uint32_t n = head >> 2; n; n--) rewrite_stream(r, true);
}

static void rewrite_planes(rewriter *r)
{
    uint32_t split = *r->in.in.at++, counts[5] = {0};
    dx_choices *c = r->c;
    *r->at++ = (uint8_t)split;
    *(split ? &had.split : &had.whole) += 1;
    if (split) r->c = NULL; /* other lengths would need other planes */
    dx_patch_p_span lengths = rewrite_stream(r, false);
    r->c = c;
    for (const uint8_t *p = lengths.at; split && p < lengths.end; p++) counts[*p]++;
    for (uint32_t length = 1; length <= 4; length++)
        for (uint32_t i = 0; counts[length] && i < length; i++) rewrite_stream(r, false);
}

static void rewrite_section(rewriter *r, bool map)
{
    dx_patch_p_span bits = {NULL, NULL}, wrong;
    uint64_t size;
    for (int i = 0; i < 3; i++) rewrite_stream(r, false);
    DX_CHECK(dx_patch_p_span_number(&r->in.in, &size) && dx_patch_p_span_cut(&r->in.in, size, &bits));
    put_number(r, size);
    rewrite_bytes(r, bits);
    rewrite_shelf(r, had.plain_modes);
    rewrite_shelf(r, had.hinted_modes);
    if (!map) return;
    for (int i = 0; i < 4; i++) rewrite_stream(r, false);
    wrong = rewrite_stream(r, false);
    *(wrong.at < wrong.end ? &had.apart : &had.in_turns) += 1;
    for (int i = 0; i < 4; i++) rewrite_planes(r);
}

/* The patch, from `patch` to `again`; returns its new size. It states exactly the memory that it needs. */
static size_t rewrite(dx_choices *c, size_t size, uint32_t changes)
{
    static uint32_t table[1 << DX_PATCH_P_TABLE_MAX];
    static uint8_t section[PATCH_MAX];
    uint64_t number, target_size;
    size_t section_max = 0, decoded_max = 0;
    dx_patch_p_span body = {patch + 144, patch + size};
    uint8_t *to = again + 144;
    bool first = true;
    dx_patch_header h;
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    memcpy(again, patch, 144);
    for (; body.at < body.end; first = false) {
        rewriter r = {changes ? c : NULL, {{NULL, NULL}, dx_patch_p_store_of(apply_memory, sizeof apply_memory), table}, section, 0, changes};
        DX_CHECK(dx_patch_p_span_number(&body, &number) && dx_patch_p_span_number(&body, &target_size));
        DX_CHECK(dx_patch_p_span_cut(&body, number, &r.in.in));
        if (patch[128] && first) for (int i = 0; i < DX_PATCH_P_MAP_SINKS; i++) rewrite_stream(&r, false);
        else rewrite_section(&r, patch[128] == 1);
        DX_CHECK(r.in.in.at == r.in.in.end);
        had.sections++;
        changes = r.changes;
        size_t used = (size_t)(r.at - section);
        if (used > section_max) section_max = used;
        if (r.decoded > decoded_max) decoded_max = r.decoded;
        r.at = to;
        put_number(&r, used);
        put_number(&r, target_size);
        memcpy(r.at, section, used);
        to = r.at + used;
    }
    dx_patch_p_store64(again + 40, h.memory_size - dx_patch_p_load32(patch + 132) - dx_patch_p_load32(patch + 136) + section_max + decoded_max);
    dx_patch_p_store32(again + 132, (uint32_t)section_max);
    dx_patch_p_store32(again + 136, (uint32_t)decoded_max);
    had.patches++;
    had.maps += patch[128];
    had.indexes += patch[131] > 0;
    size = (size_t)(to - again);
    seal(again, size);
    return size;
}

/* Streams of other symbols, as only a malicious writer makes them; the memory size is respected. */
static void rewritten(dx_choices *c, size_t base_size, size_t target_size, size_t size)
{
    dx_patch_header h;
    size_t got, again_size;
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    if (h.coding != DX_PATCH_CODING_STREAMS || !target_size) return;
    again_size = rewrite(c, size, 0);
    memcpy(other, patch, size); /* the streams themselves are valid, and this much memory is enough */
    memcpy(patch, again, again_size);
    memcpy(again, other, size);
    DX_CHECK_EQ(dx_patch_info(patch, again_size, &h), 0);
    DX_CHECK_EQ(both_ways(c, base_size, again_size, (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    dx_patch_p_store64(patch + 40, h.memory_size - 1); /* one byte less is not */
    seal(patch, again_size);
    DX_CHECK_EQ(both_ways(c, base_size, again_size, APPLY_MEMORY, true, &got), DX_PATCH_EHEADER);
    for (uint32_t i = 0; i < 2; i++) { /* nor do streams or sections exceed their stated sizes */
        uint32_t max = dx_patch_p_load32(patch + 132 + 4 * i);
        dx_patch_p_store32(patch + 132 + 4 * i, max - 1);
        seal(patch, again_size);
        if (max) DX_CHECK_EQ(both_ways(c, base_size, again_size, APPLY_MEMORY, true, &got), DX_PATCH_EHEADER);
        dx_patch_p_store32(patch + 132 + 4 * i, max);
    }
    memcpy(patch, again, size);
    for (uint32_t n = 0; n < 6; n++) {
        again_size = rewrite(c, size, 1 + (uint32_t)dx_choose(c, 3));
        memcpy(other, patch, size);
        memcpy(patch, again, again_size);
        memcpy(again, other, size);
        *(both_ways(c, base_size, again_size, APPLY_MEMORY, true, &got) ? &had.refused : &had.accepted) += 1;
        memcpy(patch, again, size);
    }
}

DX_PROPERTY(fuzz_streams_rewritten, 400)
{
    size_t base_size, target_size, size;
    draw(c, &base_size, &target_size);
    size = create(c, base_size, target_size);
    rewritten(c, base_size, target_size, size);
}

enum { FUNCTIONS = 400 };
typedef struct function {
    uint64_t seed; /* of its bytes, and of its calls */
    uint32_t name;
    uint32_t size;
} function;

/* A program: functions that call each other, and a table of their addresses, as pointers or relative to the table. */
static size_t link_program(uint8_t *p, const function *list, uint32_t count, uint64_t kind)
{
    static uint32_t places[2 * FUNCTIONS];
    uint32_t at = 0, table;
    memset(places, 0, sizeof places);
    for (uint32_t i = 0; i < count; i++) places[list[i].name] = at, at += list[i].size;
    table = at;
    for (uint32_t i = 0, from = 0; i < count; from += list[i++].size) {
        uint64_t seed = list[i].seed;
        for (uint32_t j = 0; j < list[i].size; j++) p[from + j] = (uint8_t)(mix(&seed) % 61);
        for (uint32_t j = 3; j + 5 <= list[i].size; j += 12 + (uint32_t)(mix(&seed) % 40)) {
            uint32_t to = places[mix(&seed) % FUNCTIONS];
            p[from + j] = 0xe8;
            dx_patch_p_store32(p + from + j + 1, to - (from + j + 5));
        }
    }
    for (uint32_t i = 0; i < count; i++, at += kind ? 4 : 8) {
        if (kind) dx_patch_p_store32(p + at, places[i] - table);
        else dx_patch_p_store64(p + at, 0x400000 + places[i]);
    }
    return at;
}

/* Two versions of one: functions are added, removed, moved and changed. */
static void draw_program(dx_choices *c, size_t *base_size, size_t *target_size)
{
    static function list[FUNCTIONS], later[2 * FUNCTIONS];
    uint32_t count = 20 + (uint32_t)dx_choose(c, FUNCTIONS - 20), used = 0, every = 1 + (uint32_t)dx_choose(c, 30);
    uint64_t seed = dx_choose(c, 1000000), kind = dx_choose(c, 1);
    for (uint32_t i = 0; i < count; i++) {
        function one = {mix(&seed), i, 16 * (2 + (uint32_t)(mix(&seed) % 60))};
        list[i] = one;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t what = mix(&seed) % every ? 0 : mix(&seed) % 5;
        if (what == 1) continue;                                     /* removed */
        later[used++] = list[i];
        if (what == 2) later[used - 1].size += 16 * (1 + (uint32_t)(mix(&seed) % 9)); /* grown */
        if (what == 3) {                                             /* added */
            function one = {mix(&seed), count + used, 16 * (2 + (uint32_t)(mix(&seed) % 60))};
            later[used++] = one;
        }
        if (what == 4 && used > 9) {                                 /* moved */
            function one = later[used - 1];
            later[used - 1] = later[used / 2];
            later[used / 2] = one;
        }
    }
    *base_size = link_program(base, list, count, kind);
    *target_size = link_program(target, later, used, kind);
    for (uint64_t n = dx_choose(c, 300); n; n--) target[mix(&seed) % *target_size] ^= (uint8_t)(1 + mix(&seed) % 255);
}

DX_PROPERTY(pt_4_streams_of_programs, 60)
{
    size_t base_size, target_size, size, got;
    dx_patch_header h;
    draw_program(c, &base_size, &target_size);
    size = create(c, base_size, target_size);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    DX_CHECK_EQ(both_ways(c, base_size, size, (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    rewritten(c, base_size, target_size, size);
}

/* Matches, and gaps, that continue in the next section because one section has no room for all symbols. */
DX_TEST(pt_4_sections)
{
    for (int gap = 0; gap < 2; gap++) {
        size_t base_size = gap ? 3000 : 2600000, size = gap ? 400000 : base_size, length, got;
        uint64_t seed = 1, sections = had.sections;
        dx_patch_create_desc d;
        dx_patch_header h;
        fill(base, base_size, 0, 1);
        memcpy(target, base, gap ? 0 : size);
        for (size_t at = 0; gap && at < size; at++) target[at] = (uint8_t)("0123456789abcdef"[mix(&seed) & 15]);
        for (size_t at = 40; !gap && at < size; at += 12 + mix(&seed) % 12) target[at] ^= (uint8_t)(1 + mix(&seed) % 255);
        memset(&d, 0, sizeof d);
        d.memory = create_memory;
        d.memory_size = sizeof create_memory;
        d.level = 1;
        d.codings = 1u << DX_PATCH_CODING_STREAMS;
        d.skip_check = true;
        DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, size, patch, sizeof patch, &length), 0);
        DX_CHECK_EQ(dx_patch_info(patch, length, &h), 0);
        DX_CHECK_EQ(h.coding, DX_PATCH_CODING_STREAMS);
        DX_CHECK_EQ(at_once(base_size, length, (size_t)h.memory_size, false, &got), 0);
        DX_CHECK_EQ(got, size);
        DX_CHECK_MEM(out, target, got);
        DX_CHECK_EQ(arrive(base_size, length, 50000, (size_t)h.memory_size, false, &got), 0);
        DX_CHECK_EQ(got, size);
        DX_CHECK_MEM(other, target, got);
        DX_CHECK_EQ(patch[128], !gap);
        (void)rewrite(c, length, 0);
        DX_CHECK(had.sections - sections > 1 + (uint64_t)patch[128]);
    }
}

/* One-letter names that change, or change later: short literals, predicted by the bytes they replace. */
static void names_change(dx_choices *c, bool later, uint32_t mode)
{
    enum { SIZE = 60000 };
    uint64_t seed = 7;
    size_t at = 0, size, got;
    dx_patch_create_desc d;
    dx_patch_header h;
    while (at < SIZE) {
        static const char *const words[12] = {"function ", "return ", "this.", "null", "var ", "=", "(", ");", ",", "[0]", "length", "+"};
        const char *word = words[mix(&seed) % 12];
        bool name = mix(&seed) % 3 == 0;
        char letter = (char)(later ? mix(&seed) % 200 : 'a' + mix(&seed) % 26);
        memcpy(base + at, name ? &letter : word, name ? 1 : strlen(word));
        memcpy(target + at, base + at, name ? 1 : strlen(word));
        if (name) target[at] = (uint8_t)(later ? letter + 1 + mix(&seed) % 2 : 'a' + (uint64_t)(letter - 'a') * 7 % 26);
        at += name ? 1 : strlen(word);
    }
    memcpy(other, target, at);
    for (size_t to = 0; later && to + 64 <= at; to += 64) /* this many pieces are not worth a map */
        memcpy(target + to, other + mix(&seed) % (at - 64), 64);
    memset(&d, 0, sizeof d);
    d.memory = create_memory;
    d.memory_size = sizeof create_memory;
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    DX_CHECK_EQ(dx_patch_create(&d, base, at, target, at, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    uint64_t before = had.hinted_modes[mode];
    (void)rewrite(c, size, 0);
    DX_CHECK_EQ(at_once(at, size, (size_t)h.memory_size, false, &got), 0);
    DX_CHECK_MEM(out, target, got);
    DX_CHECK(had.hinted_modes[mode] > before);
}

DX_TEST(pt_4_names_change) { names_change(c, false, DX_PATCH_P_SHELF_BYTE); }
DX_TEST(pt_4_names_are_later_ones) { names_change(c, true, DX_PATCH_P_SHELF_PLACE); }

/* A patch with a body of this many bytes, for these sizes. */
static size_t hand_made(size_t base_size, size_t target_size, uint64_t memory_size, const uint8_t *body, size_t size)
{
    dx_patch_p_blake3 h;
    memset(patch, 0, 128);
    memcpy(patch, "DXP1\4\2\1\4", 8);
    dx_patch_p_store64(patch + 8, base_size);
    dx_patch_p_store64(patch + 16, target_size);
    dx_patch_p_store64(patch + 40, memory_size);
    dx_patch_p_hash_start(&h);
    dx_patch_p_hash_update(&h, base, base_size);
    dx_patch_p_hash_finish(&h, patch + 48);
    memcpy(patch + 128, body, size);
    seal(patch, 128 + size);
    return 128 + size;
}

/* Bodies that no writer makes: each has one wrong byte or number in a valid body. */
DX_TEST(hostile_streams)
{
    enum { PARAMETERS = 18548 };
    /* 16 bytes of parameters; a section of 17 bytes: five literals, and a copy of three bytes of the base from offset 2 */
    static const uint8_t good[] = {0, 8, 10, 0, 64, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0,
                                   17, 8,
                                   4, 5, 4, 39, 4, 2, 1, 0, /* 5 literals; 2 + a bit after the end of the last copy; 3 bytes; the bit */
                                   4, 20, 'h', 'e', 'l', 'l', 'o', 4, 0};
    static const struct {
        uint8_t at, value;
        int error;
        const char *what;
    } list[] = {
        {0, 2, DX_PATCH_EVERSION, "another layout"}, {1, 33, DX_PATCH_EVERSION, "region bits"}, {2, 9, DX_PATCH_EVERSION, "a small window"},
        {2, 27, DX_PATCH_EVERSION, "a large window"}, {2, 26, DX_PATCH_EHEADER, "a window that takes more memory"},
        {3, 9, DX_PATCH_EVERSION, "an index without a map"}, {12, 1, DX_PATCH_EHEADER, "matches without a map"},
        {7, 255, DX_PATCH_EHEADER, "sections of 4 GiB"}, {11, 255, DX_PATCH_EHEADER, "streams of 4 GiB"},
        {4, 16, DX_PATCH_EHEADER, "a section above the largest"}, {8, 7, DX_PATCH_EHEADER, "streams above the largest"},
        {17, 0, DX_PATCH_EBOUNDS, "a section that makes nothing"}, {17, 9, DX_PATCH_EBOUNDS, "one that makes more than the target"},
        {17, 7, DX_PATCH_ECORRUPT, "one whose copy leaves it"}, {16, 16, DX_PATCH_ECORRUPT, "one that ends early"},
        {18, 9, DX_PATCH_ECORRUPT, "runs for two"}, {18, 6, DX_PATCH_ECORRUPT, "a coded stream of one byte"},
        {18, 7, DX_PATCH_ECORRUPT, "repeats of one byte"}, {18, 0, DX_PATCH_ECORRUPT, "no runs"}, {19, 4, DX_PATCH_ECORRUPT, "four literals of five"},
        {19, 6, DX_PATCH_ECORRUPT, "six literals of five"}, {19, 9, DX_PATCH_ECORRUPT, "nine literals for eight bytes"},
        {19, 143, DX_PATCH_ECORRUPT, "literals of so many bits"}, {21, 161, DX_PATCH_ECORRUPT, "a source that there is not"},
        {21, 37, DX_PATCH_ECORRUPT, "a byte of bits that is not used"}, {21, 4, DX_PATCH_ECORRUPT, "as far back as never"}, {21, 43, DX_PATCH_ECORRUPT, "a copy from behind the base"},
        {23, 3, DX_PATCH_ECORRUPT, "a copy of four bytes for three"}, {24, 0, DX_PATCH_ECORRUPT, "no bits"}, {24, 200, DX_PATCH_ECORRUPT, "bits behind the section"},
        {25, 2, DX_PATCH_ECORRUPT, "a bit that nobody asked for"}, {26, 8, DX_PATCH_ECORRUPT, "two streams for one"}, {26, 5, DX_PATCH_ECORRUPT, "four for one"},
        {26, 7, DX_PATCH_ECORRUPT, "a mode that there is not"}, {26, 0, DX_PATCH_ECORRUPT, "no stream"}, {27, 24, DX_PATCH_ECORRUPT, "six literals"},
        {33, 7, DX_PATCH_ECORRUPT, "hints: a mode that there is not"}, {34, 4, DX_PATCH_ECORRUPT, "a hint that is not used"}};
    size_t size = 0, got, used = sizeof good;
    memcpy(base, "abcdefgh", 8);
    DX_CHECK_EQ(good[16], used - 18);
    for (size_t i = 0; i <= sizeof list / sizeof *list; i++) {
        uint8_t body[sizeof good];
        int expected = i ? list[i - 1].error : 0;
        memcpy(body, good, sizeof good);
        if (i) body[list[i - 1].at] = list[i - 1].value;
        size = hand_made(8, 8, PARAMETERS + 128 + 1024, body, used);
        int error = at_once(8, size, APPLY_MEMORY, true, &got);
        if (error != expected) printf("     %s: %s\n", i ? list[i - 1].what : "none", dx_patch_error_name(error));
        DX_CHECK_EQ(error, expected);
        DX_CHECK_EQ(both_ways(c, 8, size, APPLY_MEMORY, true, &got), expected);
        if (!i) DX_CHECK_MEM(out, "hellocde", 8);
    }
    for (size_t i = 0; i < used; i++) { /* truncated, with only this much memory */
        size = hand_made(8, 8, PARAMETERS + 128 + 1024, good, i);
        DX_CHECK(both_ways(c, 8, size, APPLY_MEMORY, true, &got) != 0);
    }
    size = hand_made(8, 8, PARAMETERS + 128 + 1023, good, used);
    DX_CHECK_EQ(both_ways(c, 8, size, APPLY_MEMORY, true, &got), DX_PATCH_EHEADER);
    size = hand_made(8, 8, PARAMETERS + 128 + 1024, good, used);
    DX_CHECK_EQ(both_ways(c, 8, size, PARAMETERS + 128 + 1023, true, &got), DX_PATCH_ENOMEM);
    DX_CHECK_EQ(both_ways(c, 8, size, PARAMETERS + 128 + 1024, true, &got), 0);
    patch[4] = 3; /* streams of another version, and another coding of this one */
    seal(patch, size);
    DX_CHECK_EQ(both_ways(c, 8, size, APPLY_MEMORY, true, &got), DX_PATCH_EVERSION);
    patch[4] = 4;
    patch[7] = 1;
    seal(patch, size);
    DX_CHECK_EQ(both_ways(c, 8, size, APPLY_MEMORY, true, &got), DX_PATCH_EVERSION);
}

/* Each form of encoding has been used, by its writer and by others. */
DX_TEST(streams_what_was_done)
{
    printf("     %llu patches, %llu with a map, %llu with an index, %llu sections; streams raw %llu, run %llu, coded %llu, repeats %llu;\n"
           "     literals %llu %llu %llu, hinted %llu %llu %llu, corrections split %llu, whole %llu, wrong bytes apart %llu, in turns %llu; refused %llu, accepted %llu\n",
           (unsigned long long)had.patches, (unsigned long long)had.maps, (unsigned long long)had.indexes, (unsigned long long)had.sections,
           (unsigned long long)had.forms[0], (unsigned long long)had.forms[1], (unsigned long long)had.forms[2], (unsigned long long)had.forms[3],
           (unsigned long long)had.plain_modes[0], (unsigned long long)had.plain_modes[1], (unsigned long long)had.plain_modes[2],
           (unsigned long long)had.hinted_modes[0], (unsigned long long)had.hinted_modes[1], (unsigned long long)had.hinted_modes[2],
           (unsigned long long)had.split, (unsigned long long)had.whole, (unsigned long long)had.apart, (unsigned long long)had.in_turns,
           (unsigned long long)had.refused, (unsigned long long)had.accepted);
    for (int i = 0; i < 4; i++) DX_CHECK(had.forms[i] > 0);
    for (int i = 0; i < 3; i++) DX_CHECK(had.plain_modes[i] > 0 && had.hinted_modes[i] > 0);
    DX_CHECK(had.maps > 0 && had.indexes > 0 && had.split > 0 && had.whole > 0 && had.apart > 0 && had.in_turns > 0);
    DX_CHECK(had.refused > 0 && had.accepted > 0);
}

/* In a target of gigabytes, a symbol may occur more than 2^29 times: it is still the cheapest, and prices match those of the same
   shares. */
DX_TEST(p_prices_of_counts_beyond_what_a_total_holds)
{
    static const uint32_t few[5] = {1u << 17, 1u << 16, 3u << 13, 1u << 12, 1u << 12};
    uint32_t counts[5], of_few[5], prices[5], all[256], each[256];
    dx_patch_p_price_list(of_few, few, 5);
    for (uint32_t shift = 0; shift <= 14; shift++) {
        for (int i = 0; i < 5; i++) counts[i] = few[i] << shift;
        dx_patch_p_price_list(prices, counts, 5);
        for (int i = 0; i < 5; i++) DX_CHECK_EQ(prices[i], of_few[i]);
    }
    for (int i = 0; i < 256; i++) all[i] = UINT32_MAX;
    dx_patch_p_price_list(each, all, 256);
    for (int i = 0; i < 256; i++) DX_CHECK_EQ(each[i], 8 * 16);
}

/* A stream in its smallest form decodes to the original, from its bytes alone, in no more memory than computed. */
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
    p.nice = DX_PATCH_P_NICE;
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

/* Arbitrary bytes: refused, or decoded within the available memory. */
DX_PROPERTY(fuzz_streams_invented, 20000)
{
    static uint32_t table[1 << DX_PATCH_P_TABLE_MAX];
    uint8_t bytes[300];
    size_t size = (size_t)dx_choose(c, sizeof bytes), room = (size_t)dx_choose(c, 5000);
    dx_patch_p_streams s;
    dx_patch_p_span got;
    dx_choose_bytes(c, bytes, size);
    uint8_t *in = (uint8_t *)malloc(size + 1), *store = (uint8_t *)malloc(room + 1); /* the sanitizer watches their ends */
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

DX_TEST(p_streams_vector)
{
    static const char old_text[] = "The quick brown fox jumps over the lazy dog. 0123456789abcdef";
    static const char list[] = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
    uint8_t expected[300];
    char text[3 * sizeof list + 4];
    size_t length = dx_test_vector("docs/formats/patch.md", "delta-streams", expected, sizeof expected), size, got;
    size_t text_size = (size_t)snprintf(text, sizeof text, "%s; %s; %s", list, list, list);
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    d.memory = create_memory;
    d.memory_size = sizeof create_memory;
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    DX_CHECK_EQ(dx_patch_create(&d, old_text, sizeof old_text - 1, text, text_size, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(size, length);
    DX_CHECK_MEM(patch, expected, length);
    memcpy(base, old_text, sizeof old_text - 1);
    DX_CHECK_EQ(both_ways(c, sizeof old_text - 1, size, APPLY_MEMORY, false, &got), 0);
    DX_CHECK_EQ(got, text_size);
    DX_CHECK_MEM(out, text, got);
}
