/* Tests of programs/dxpatch/vcdiff.c: writing and reading RFC 3284. */
#include "../../programs/dxpatch/vcdiff.c"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { MOST = 40000 };
static uint8_t base[MOST], target[MOST];

/* Base and target: equal parts, moved parts, repeats of the target's own past, edits. */
static size_t draw(dx_choices *c, size_t *base_size)
{
    size_t n = (size_t)dx_choose(c, 4000), used = 0;
    uint64_t state = dx_choose(c, 1000), kind = dx_choose(c, 2);
    for (size_t i = 0; i < n; i++) base[i] = kind == 0 ? (uint8_t)dx_test_random(&state) : kind == 1 ? (uint8_t)(i / 7) : 'a';
    while (used < 8000 && dx_choose(c, 9)) {
        uint64_t what = dx_choose(c, 3);
        size_t size = (size_t)dx_choose(c, what == 3 ? 9 : 500), from = (size_t)dx_choose(c, what == 1 ? used : n);
        size_t room = (what == 1 ? used : n) - from;
        if (what < 2 && !room) continue;
        if (what == 0 && size > room) size = room;
        for (size_t i = 0; i < size; i++) /* a repeat may overlap its own output */
            target[used + i] = what == 0 ? base[from + i] : what == 1 ? target[from + i] : (uint8_t)dx_test_random(&state);
        used += size;
    }
    *base_size = n;
    return used;
}

static uint8_t *make(size_t base_size, size_t target_size, size_t *size)
{
    uint8_t *patch;
    DX_CHECK_EQ(vcdiff_encode(base, base_size, target, target_size, &patch, size), 0);
    return patch;
}

DX_PROPERTY(st_8_round_trip, 600)
{
    size_t base_size, target_size = draw(c, &base_size), size, got;
    uint8_t *patch = make(base_size, target_size, &size), *out;
    DX_CHECK_EQ(vcdiff_decode(base, base_size, patch, size, MOST, &out, &got), 0);
    DX_CHECK_EQ(got, target_size);
    DX_CHECK_MEM(out, target, got);
    free(out);
    if (target_size) DX_CHECK_EQ(vcdiff_decode(base, base_size, patch, size, target_size - 1, &out, &got), VCDIFF_ETOOBIG);
    vcdiff_info info;
    DX_CHECK_EQ(vcdiff_peek(patch, size, &info), 0);
    DX_CHECK(info.target_size == target_size && info.checked);
    free(patch);
}

/* Any bytes are refused or give some target; every window we write has a checksum. */
DX_PROPERTY(st_8_damage_is_refused_or_harmless, 3000)
{
    size_t base_size, target_size = draw(c, &base_size), size, got;
    uint8_t *patch = make(base_size, target_size, &size), *out;
    for (uint64_t edits = 1 + dx_choose(c, 3); edits; edits--)
        patch[5 + dx_choose(c, size > 6 ? size - 6 : 0)] = (uint8_t)dx_choose(c, 255);
    if (size > 5) size -= (size_t)dx_choose(c, size - 5);
    int error = vcdiff_decode(base, base_size, patch, size, MOST, &out, &got);
    if (!error) DX_CHECK(got <= MOST);
    free(out);
    free(patch);
}

DX_PROPERTY(st_8_invented_windows_are_refused_or_harmless, 5000)
{
    static uint8_t patch[300];
    size_t n = 5, got, size = 5 + (size_t)dx_choose(c, 290);
    uint8_t *out;
    memcpy(patch, "\xd6\xc3\xc4\0\0", 5);
    while (n < size) patch[n++] = (uint8_t)(dx_choose(c, 1) ? dx_choose(c, 40) : dx_choose(c, 255));
    memset(base, 7, 500);
    int error = vcdiff_decode(base, 500, patch, size, MOST, &out, &got);
    if (!error) DX_CHECK(got <= MOST);
    free(out);
}

DX_TEST(st_8_truncation_and_single_bits)
{
    (void)c;
    uint64_t state = 3;
    size_t size, got;
    uint8_t *out;
    for (size_t i = 0; i < 3000; i++) base[i] = target[i] = (uint8_t)dx_test_random(&state);
    memmove(target + 700, target + 600, 1500);
    memset(target + 100, 'x', 60);
    uint8_t *patch = make(3000, 2500, &size);
    for (size_t cut = 0; cut < size; cut++) {
        int error = vcdiff_decode(base, 3000, patch, cut, MOST, &out, &got);
        DX_CHECK(error || (cut == 5 && got == 0)); /* a header alone makes nothing, without an error */
        free(out);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int error = vcdiff_decode(base, 3000, patch, size, MOST, &out, &got);
        DX_CHECK(error || (got == 2500 && memcmp(out, target, got) == 0));
        free(out);
        patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    base[2000] ^= 1;
    DX_CHECK_EQ(vcdiff_decode(base, 3000, patch, size, MOST, &out, &got), VCDIFF_EBASE);
    DX_CHECK_EQ(vcdiff_decode(base, 2000, patch, size, MOST, &out, &got), VCDIFF_EBASE);
    free(patch);
}

/* The example of RFC 3284, section 3: COPY 4 from 0; ADD "wxyz"; COPY 4 from 4; COPY 12 from 24, which overlaps
   itself; RUN 4 "z". */
DX_TEST(st_8_the_example_of_the_rfc)
{
    (void)c;
    static const uint8_t patch[] = {0xd6, 0xc3, 0xc4, 0, 0, 1, 16, 0, 19, 28, 0, 5, 6, 3,
                                    'w', 'x', 'y', 'z', 'z', 20, 5, 20, 28, 0, 4, 0, 4, 24};
    const uint8_t *s = (const uint8_t *)"abcdefghijklmnop";
    size_t got;
    uint8_t *out;
    DX_CHECK_EQ(vcdiff_decode(s, 16, patch, sizeof patch, 100, &out, &got), 0);
    DX_CHECK_EQ(got, 28);
    DX_CHECK_MEM(out, (const uint8_t *)"abcdwxyzefghefghefghefghzzzz", 28);
    free(out);
}

DX_TEST(st_8_what_is_not_known_is_refused_by_name)
{
    (void)c;
    static const struct {
        uint8_t bytes[12];
        size_t size;
        int error;
    } all[] = {
        {{0xd6, 0xc3, 0xc5, 0, 0}, 5, VCDIFF_EHEADER},    {{0xd6, 0xc3, 0xc4, 'S', 0}, 5, VCDIFF_ENOTSUP},
        {{0xd6, 0xc3, 0xc4, 0, 1, 2}, 6, VCDIFF_ENOTSUP}, {{0xd6, 0xc3, 0xc4, 0, 2}, 5, VCDIFF_ENOTSUP},
        {{0xd6, 0xc3, 0xc4, 0, 8}, 5, VCDIFF_ENOTSUP},    {{0xd6, 0xc3, 0xc4, 0, 0, 8}, 6, VCDIFF_ENOTSUP},
        {{0xd6, 0xc3, 0xc4, 0, 0, 3}, 6, VCDIFF_ECORRUPT}, {{0xd6, 0xc3, 0xc4, 0, 0, 0, 5, 0, 1, 0, 0, 0}, 12, VCDIFF_ENOTSUP},
        {{0xd6, 0xc3}, 2, VCDIFF_EHEADER},                {{0xd6, 0xc3, 0xc4, 0, 4, 9}, 6, VCDIFF_ETRUNCATED}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t got;
        uint8_t *out;
        DX_CHECK_EQ(vcdiff_decode(base, 10, all[i].bytes, all[i].size, 100, &out, &got), all[i].error);
    }
}

/* A modified real patch, and windows of arbitrary bytes: refused, or the target has the size that the windows
   state, which was checked against the limit before any allocation. A target of tests/fuzz.sh. */
DX_PROPERTY(fuzz_vcdiff, 1000)
{
    static uint8_t patch[2048];
    size_t base_size = (size_t)dx_choose(c, 255), size = 5, got, most = (size_t)dx_choose(c, 4095);
    uint8_t *from = malloc(base_size + 1), *out, *copy;
    vcdiff_info info;
    memset(base, 'b', base_size);
    for (size_t i = 0; i < base_size; i += 1 + (size_t)dx_choose(c, 63)) base[i] = (uint8_t)i;
    memcpy(patch, "\xd6\xc3\xc4\0\0", 5);
    if (dx_choose(c, 7) == 0) { /* one window of ours; making one clears 4 MiB */
        size_t target_size = (size_t)dx_choose(c, 255);
        for (size_t i = 0; i < target_size; i++) target[i] = base_size && i % 32 ? base[i % base_size] : (uint8_t)dx_choose(c, 255);
        uint8_t *made = make(base_size, target_size, &size);
        DX_CHECK(size <= sizeof patch);
        memcpy(patch, made, size);
        free(made);
        for (uint64_t edits = dx_choose(c, 3); edits; edits--) patch[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
    }
    for (uint64_t more = dx_choose(c, 127); more; more--) patch[size++] = (uint8_t)dx_choose(c, 255);
    memcpy(from, base, base_size);
    copy = malloc(size);
    memcpy(copy, patch, size);
    int looked = vcdiff_peek(copy, size, &info);
    int error = vcdiff_decode(from, base_size, copy, size, most, &out, &got);
    if (looked) DX_CHECK_EQ(error, looked);
    else if (info.target_size > most) DX_CHECK_EQ(error, VCDIFF_ETOOBIG);
    else if (!error) DX_CHECK_EQ(got, info.target_size);
    DX_CHECK(!error || (!out && !got));
    if (!error) { /* again, with exactly the room it needs */
        uint8_t *again;
        DX_CHECK_EQ(vcdiff_decode(from, base_size, copy, size, got, &again, &most), 0);
        DX_CHECK_EQ(most, got);
        DX_CHECK_MEM(again, out, got);
        free(again);
    }
    free(out);
    free(copy);
    free(from);
}
