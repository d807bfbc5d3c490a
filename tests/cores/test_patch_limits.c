/* Stream deltas of files larger than what the maker processes at once. With production limits that takes megabytes per pair; here
   the limits are so small that ten thousand pairs, of all sizes around them, are made in seconds. The format and the appliers are
   unchanged. test_patch_large.c has a few pairs with the production limits. */
#define DX_PATCH_P_STEPS 64u
#define DX_PATCH_P_STEPS_MORE 32u
#define DX_PATCH_P_NICE 24u
#define DX_PATCH_P_LONG 64u
#define DX_PATCH_P_SOUGHT_LOG 12u
#define DX_PATCH_P_SOUGHT_MIN 256u
#define DX_PATCH_P_HEADS_LOG 8u
#define DX_PATCH_P_LINKS_MAX 11u
#define DX_PATCH_P_REPEAT_LINKS 8u
#define DX_PATCH_P_SAMPLE 64u
#define DX_PATCH_P_SINK_MAX 512u
#define DX_PATCH_P_INDEX_MIN 4u
#define DX_PATCH_P_JOINED 6u

/* From some call on, a comparison may report differences that do not exist: to the maker, this looks like a defect of its own. */
static int compare(const void *a, const void *b, unsigned long size);
#define DX_PATCH_MEMCMP compare
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { MOST = 40000, PATCH_MOST = MOST + 1000, MAKING = 16 << 20, APPLYING = 2 << 20 };
static uint8_t base[MOST], target[MOST], patch[PATCH_MOST], out[MOST];
static uint8_t making[MAKING], applying[APPLYING];
static uint64_t compared, lies_from = UINT64_MAX;

static int compare(const void *a, const void *b, unsigned long size)
{
    if (++compared > lies_from) return 1;
    return memcmp(a, b, size);
}

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Noise, letters, words, or increasing numbers. */
static void fill(uint8_t *p, size_t size, uint64_t *seed)
{
    uint64_t sort = mix(seed) % 4, first = mix(seed);
    for (size_t i = 0; i < size; i++) {
        uint64_t r = mix(seed);
        p[i] = (uint8_t)(sort == 0 ? r : sort == 1 ? 'a' + r % 5 : sort == 2 ? (uint64_t)"the cat sat on a mat. "[(i + r % 3) % 22]
                                                                            : i % 4 ? 0 : (first + i / 4) & 255);
    }
}

/* A size at a limit of the maker, at a small multiple of one, or next to it. */
static size_t draw_size(dx_choices *c)
{
    static const size_t limits[] = {DX_PATCH_P_NICE, DX_PATCH_P_STEPS, DX_PATCH_P_STEPS + DX_PATCH_P_STEPS_MORE, DX_PATCH_P_SINK_MAX,
                                    1u << DX_PATCH_P_WINDOW_MIN, 1u << DX_PATCH_P_LINKS_MAX, DX_PATCH_P_PROBE * DX_PATCH_P_SINK_MAX};
    size_t size = limits[dx_choose(c, 6)] * (1 + (size_t)dx_choose(c, 3)), by = (size_t)dx_choose(c, 400);
    if (by < 200) by %= 8; /* usually near it */
    return dx_choose(c, 1) && by <= size ? size - by : size + by;
}

/* A target with much or little of the base, some of it changed, and of its own past, near and as far back as copies reach. */
static void draw(dx_choices *c, size_t base_size, size_t target_size)
{
    static const size_t far[] = {1, 3, (1u << DX_PATCH_P_WINDOW_MIN) - 1, 1u << DX_PATCH_P_WINDOW_MIN, (1u << DX_PATCH_P_WINDOW_MIN) + 1,
                                 (1u << DX_PATCH_P_LINKS_MAX) - 1, 1u << DX_PATCH_P_LINKS_MAX, (1u << DX_PATCH_P_LINKS_MAX) + 1};
    uint64_t seed = dx_choose(c, 1000000), related = dx_choose(c, 9);
    size_t at = 0, from = 0, longest = 1 + (size_t)dx_choose(c, 900);
    for (size_t i = 0; i < base_size; i += 700) fill(base + i, base_size - i < 700 ? base_size - i : 700, &seed);
    while (at < target_size) {
        size_t size = 1 + (size_t)(mix(&seed) % longest), back;
        uint64_t what = mix(&seed) % 10;
        if (size > target_size - at) size = target_size - at;
        if (what < related && base_size) { /* from the base; half of it in line with the last piece of it */
            if (what & 1 || from >= base_size) from = (size_t)(mix(&seed) % base_size);
            if (size > base_size - from) size = base_size - from;
            memcpy(target + at, base + from, size);
            from += size;
            for (size_t i = mix(&seed) % 40; what % 3 == 0 && i < size; i += 1 + mix(&seed) % 40) target[at + i] ^= (uint8_t)(1 + mix(&seed) % 9);
        } else if (what == 9) {
            back = mix(&seed) & 1 ? far[mix(&seed) % 8] : 1 + (size_t)(mix(&seed) % 5000);
            if (back > at) back = at;
            for (size_t i = 0; back && i < size; i++) target[at + i] = target[at + i - back];
            if (!back) continue;
        } else {
            if (size > 90) size = 90;
            fill(target + at, size, &seed);
        }
        at += size;
    }
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
    DX_CHECK(size && size <= sizeof out - s->written);
    memcpy(out + s->written, p, size);
    s->written += size;
    return 0;
}

/* In memory or with callbacks, in exactly the memory that the patch states. */
static int apply(size_t base_size, size_t size, bool streaming, size_t *got)
{
    dx_patch_applier a;
    dx_patch_applier_desc d;
    dx_patch_header h;
    sink s = {base_size, 0};
    int error = dx_patch_info(patch, size, &h);
    memset(&d, 0, sizeof d);
    memset(out, 0xee, sizeof out);
    d.base_size = base_size;
    d.memory = applying;
    d.memory_size = error ? 0 : (size_t)h.memory_size;
    DX_CHECK(d.memory_size <= sizeof applying);
    d.target_size_max = sizeof out;
    if (streaming) {
        d.user = &s;
        d.read = sink_read;
        d.write = sink_write;
    } else {
        d.base = base;
        d.out = out;
        d.out_capacity = sizeof out;
    }
    if (!error) error = dx_patch_applier_init(&a, &d);
    for (size_t at = 0; !error && at < size; at += 999) error = dx_patch_applier_feed(&a, patch + at, size - at < 999 ? size - at : 999);
    if (!error) error = dx_patch_applier_finish(&a);
    *got = streaming ? s.written : error ? 0 : (size_t)a.produced_;
    return error;
}

static struct {
    uint64_t patches, maps, indexes, copies_only, larger_than_a_probe, without_memory;
} had;

/* Whatever the sizes: every patch that dx_patch_create() returns applies, including one that it did not verify itself. */
DX_PROPERTY(patch_limits_pairs, 1000)
{
    size_t base_size = draw_size(c), target_size = draw_size(c), size = 0, got = 0;
    dx_patch_create_desc d;
    draw(c, base_size, target_size);
    memset(&d, 0, sizeof d);
    d.memory = making;
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    d.level = 1 + (uint32_t)dx_choose(c, 6);
    d.skip_check = dx_choose(c, 3) > 0;
    d.memory_size = dx_patch_create_memory_size(&d, base_size, target_size);
    DX_CHECK(d.memory_size && d.memory_size <= sizeof making);
    if (dx_choose(c, 9) == 0) d.memory_size = 68000 + (size_t)dx_choose(c, 600000);
    DX_CHECK(dx_patch_bound(&d, base_size, target_size) <= sizeof patch);
    int error = dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size);
    if (error == DX_PATCH_ENOMEM && d.memory_size < dx_patch_create_memory_size(&d, base_size, target_size)) {
        had.without_memory++;
        return;
    }
    DX_CHECK_EQ(error, 0);
    for (int streaming = 0; streaming < 2; streaming++) {
        DX_CHECK_EQ(apply(base_size, size, streaming, &got), 0);
        DX_CHECK_EQ(got, target_size);
        DX_CHECK_MEM(out, target, target_size);
    }
    if (patch[7] != DX_PATCH_CODING_STREAMS) return;
    had.patches++;
    had.maps += patch[128];
    had.indexes += patch[131] > 0;
    had.copies_only += !patch[128];
    had.larger_than_a_probe += !patch[128] && target_size >= DX_PATCH_P_PROBE * DX_PATCH_P_SINK_MAX;
}

/* A defective maker (here: a comparison that is wrong from some call on) is detected by the check of copies, even if the patch is
   not applied, or by applying it. It returns an error of its own, and no assertion fails. */
DX_PROPERTY(patch_limits_no_patch_that_fails, 150)
{
    size_t base_size = draw_size(c), target_size = 600 + draw_size(c), size = 0, got = 0;
    dx_patch_create_desc d;
    draw(c, base_size, target_size);
    memset(&d, 0, sizeof d);
    d.memory = making;
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    d.skip_check = dx_choose(c, 1) > 0;
    d.memory_size = dx_patch_create_memory_size(&d, base_size, target_size);
    compared = 0;
    lies_from = dx_choose(c, 200);
    int error = dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size);
    bool lied = compared > lies_from;
    lies_from = UINT64_MAX;
    DX_CHECK(!error || error == DX_PATCH_ETARGET);
    if (error) DX_CHECK(lied && !size);
    if (error) return;
    DX_CHECK(!lied || d.skip_check); /* applying it detects the wrong comparison */
    DX_CHECK_EQ(apply(base_size, size, false, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, target_size);
}

/* Streams alone, with too little memory for them: an error, and no patch in a coding that was not allowed. If another coding is
   allowed, it is used. */
DX_TEST(patch_limits_streams_alone_in_little_memory)
{
    enum { SIZE = 20000 };
    uint64_t seed = 5;
    size_t size = 0, refused = 0, made = 0, got = 0;
    dx_patch_create_desc d;
    dx_patch_header h;
    for (size_t i = 0; i < SIZE; i += 500) fill(base + i, 500, &seed);
    memcpy(target, base + 300, SIZE - 300);
    memcpy(target + SIZE - 300, base, 300);
    memset(&d, 0, sizeof d);
    d.memory = making;
    for (d.memory_size = 70000; d.memory_size < 1500000; d.memory_size += 9973) {
        d.codings = 1u << DX_PATCH_CODING_STREAMS;
        int error = dx_patch_create(&d, base, SIZE, target, SIZE, patch, sizeof patch, &size);
        DX_CHECK(!error || error == DX_PATCH_ENOMEM);
        DX_CHECK(error ? !size : patch[7] == DX_PATCH_CODING_STREAMS);
        refused += error != 0;
        made += !error;
        d.codings |= 1u << DX_PATCH_CODING_PLAIN;
        DX_CHECK_EQ(dx_patch_create(&d, base, SIZE, target, SIZE, patch, sizeof patch, &size), 0);
        DX_CHECK_EQ(patch[7], error ? DX_PATCH_CODING_PLAIN : DX_PATCH_CODING_STREAMS);
        DX_CHECK_EQ(apply(SIZE, size, true, &got), 0);
        DX_CHECK_MEM(out, target, SIZE);
    }
    DX_CHECK(refused > 10 && made > 10);
    d.codings = 1u << DX_PATCH_CODING_STREAMS; /* applying may need less than streams do */
    DX_CHECK_EQ(dx_patch_create(&d, base, SIZE, target, SIZE, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
    d.apply_memory_max = h.memory_size;
    DX_CHECK_EQ(dx_patch_create(&d, base, SIZE, target, SIZE, patch, sizeof patch, &size), 0);
    d.apply_memory_max--;
    DX_CHECK_EQ(dx_patch_create(&d, base, SIZE, target, SIZE, patch, sizeof patch, &size), DX_PATCH_ETOOBIG);
    fill(base, 100, &seed);
    memset(target, 0, sizeof target);
    for (size_t i = 0; i < 64; i++) target[i] = (uint8_t)(i * 167 + 13); /* nothing to gain: plain, whatever is allowed */
    d.apply_memory_max = 0;
    DX_CHECK_EQ(dx_patch_create(&d, base, 0, target, 64, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(patch[7], DX_PATCH_CODING_PLAIN);
}

DX_TEST(patch_limits_what_was_done)
{
    printf("     %llu patches of streams: %llu with a map, %llu with an index, %llu of copies alone, %llu of these above a probe; %llu without memory\n",
           (unsigned long long)had.patches, (unsigned long long)had.maps, (unsigned long long)had.indexes, (unsigned long long)had.copies_only,
           (unsigned long long)had.larger_than_a_probe, (unsigned long long)had.without_memory);
    DX_CHECK(had.maps > 0 && had.indexes > 0 && had.copies_only > 0 && had.larger_than_a_probe > 0 && had.without_memory > 0);
}
