/* Stream deltas with the production limits: pairs of megabytes, little related, of sizes around what the maker processes at once.
   test_patch_limits.c draws thousands of pairs with small limits; these tests show that nothing else differs. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { PROBED = DX_PATCH_P_PROBE * DX_PATCH_P_SINK_MAX }; /* the part of a target that is tried first, in bytes */
static uint8_t *base, *target, *patch, *out, *making;

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Noise in units of eight bytes: words from a small set that repeat, or from a large one. */
static void fill(uint8_t *p, size_t size, uint64_t *seed, uint64_t words)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = words ? mix(seed) % words : mix(seed);
        uint64_t v = word * 0x9e3779b97f4a7c15u;
        memcpy(p + i, &v, size - i < 8 ? size - i : 8);
    }
}

/* Pieces of the base, in line with it or from elsewhere; of the target's past, up to `far` bytes back; and new ones. */
static void draw(size_t base_size, size_t target_size, size_t far, uint64_t seed)
{
    size_t at = 0, from = 0;
    for (size_t i = 0; i < base_size; i += 4096) fill(base + i, base_size - i < 4096 ? base_size - i : 4096, &seed, i / 4096 % 3 * 500);
    while (at < target_size) {
        uint64_t what = mix(&seed) % 8;
        size_t size = 1 + (size_t)(mix(&seed) % (what < 4 ? 20000 : 900)), back = far - (size_t)(mix(&seed) % 3);
        if (size > target_size - at) size = target_size - at;
        if (what < 4 && base_size) {
            if (what < 2 || from >= base_size) from = (size_t)(mix(&seed) % base_size);
            if (size > base_size - from) size = base_size - from;
            memcpy(target + at, base + from, size);
            from += size;
            for (size_t i = 9; what == 3 && i < size; i += 9 + (size_t)(mix(&seed) % 60)) target[at + i] ^= 1;
        } else if (what < 6 && at) {
            if (back > at) back = 1 + (size_t)(mix(&seed) % at);
            for (size_t i = 0; i < size; i++) target[at + i] = target[at + i - back];
        } else {
            fill(target + at, size, &seed, what == 7 ? 300 : 0);
        }
        at += size;
    }
}

/* Noise, letters, words, or increasing numbers. */
static void fill_text(uint8_t *p, size_t size, uint64_t *seed)
{
    uint64_t sort = mix(seed) % 4, first = mix(seed);
    for (size_t i = 0; i < size; i++) {
        uint64_t r = mix(seed);
        if (sort == 0) p[i] = (uint8_t)r;
        else if (sort == 1) p[i] = (uint8_t)('a' + r % 5);
        else if (sort == 2) p[i] = (uint8_t)"the cat sat on a mat. "[(i + r % 3) % 22];
        else p[i] = i % 4 ? 0 : (uint8_t)(first + i / 4);
    }
}

/* Short pieces of a text as base, one in three with changes; new text, and short copies of the target's past: such a target is
   best made of copies alone. Those are tried after a body with matches, up to the place where that one was evaluated, and here any
   byte of the target may be that place, also one between literals. */
static void draw_text(size_t base_size, size_t target_size, size_t longest, uint64_t seed)
{
    size_t at = 0, from = 0;
    for (size_t i = 0; i < base_size; i += 700) fill_text(base + i, base_size - i < 700 ? base_size - i : 700, &seed);
    while (at < target_size) {
        uint64_t what = mix(&seed) % 10;
        size_t size = 1 + (size_t)(mix(&seed) % longest), back = 1 + (size_t)(mix(&seed) % 5000);
        if (size > target_size - at) size = target_size - at;
        if (what < 5) { /* from the base; half of it in line with the last piece of it */
            if (what & 1 || from >= base_size) from = (size_t)(mix(&seed) % base_size);
            if (size > base_size - from) size = base_size - from;
            memcpy(target + at, base + from, size);
            from += size;
            for (size_t i = 9; what % 3 == 0 && i < size; i += 1 + (size_t)(mix(&seed) % 40)) target[at + i] ^= 1;
        } else if (what == 9 && at) {
            if (back > at) back = at;
            for (size_t i = 0; i < size; i++) target[at + i] = target[at + i - back];
        } else {
            if (size > 90) size = 90;
            fill_text(target + at, size, &seed);
        }
        at += size;
    }
}

typedef enum { FILES, TEXT } sort_of_pair;

static void pair(sort_of_pair sort, size_t base_size, size_t target_size, size_t far, uint32_t level, uint64_t seed)
{
    dx_patch_create_desc d;
    size_t size = 0, got = 0;
    memset(&d, 0, sizeof d);
    d.codings = 1u << DX_PATCH_CODING_STREAMS;
    d.level = level;
    d.skip_check = true;
    d.memory_size = dx_patch_create_memory_size(&d, base_size, target_size);
    size_t capacity = dx_patch_bound(&d, base_size, target_size);
    base = (uint8_t *)malloc(base_size + 1);
    target = (uint8_t *)malloc(target_size + 1);
    patch = (uint8_t *)malloc(capacity);
    out = (uint8_t *)malloc(target_size + 1);
    making = (uint8_t *)malloc(d.memory_size);
    DX_CHECK(base && target && patch && out && making);
    d.memory = making;
    if (sort == FILES) draw(base_size, target_size, far, seed);
    else draw_text(base_size, target_size, far, seed);
    DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, patch, capacity, &size), 0);
    DX_CHECK_EQ(patch[7], DX_PATCH_CODING_STREAMS);
    DX_CHECK_EQ(dx_patch_apply(base, base_size, patch, size, out, target_size, &got, making, d.memory_size), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, target_size);
    printf("     %zu -> %zu, level %u: %zu bytes%s, window 2^%u\n", base_size, target_size, (unsigned)level, size, patch[128] ? ", a map" : "",
           patch[130]);
    free(base);
    free(target);
    free(patch);
    free(out);
    free(making);
}

DX_TEST(patch_large_at_the_probe)
{
    for (uint64_t seed = 1; seed <= 6; seed++) pair(FILES, PROBED, PROBED - 1 + (size_t)(seed % 3), 1 << 20, seed & 1 ? 3 : 6, seed);
    pair(FILES, 3 * PROBED / 2, 3 * PROBED, 1 << 20, 1, 7);
}
DX_TEST(patch_large_copies_alone_at_the_probe)
{
    for (uint64_t seed = 22; seed <= 25; seed++) pair(TEXT, PROBED / 4, PROBED + 1, 100 + 40 * (size_t)(seed % 4), 1, seed);
}
DX_TEST(patch_large_at_the_window) { pair(FILES, 5 << 20, (8 << 20) + (3 << 20), 8 << 20, 3, 8); }
DX_TEST(patch_large_at_16_mib) { pair(FILES, (16 << 20) - 1, (16 << 20) + 1, 16 << 20, 1, 9); }
DX_TEST(patch_large_at_32_mib) { pair(FILES, (32 << 20) + 1, (32 << 20) + 3, 32 << 20, 1, 10); }
