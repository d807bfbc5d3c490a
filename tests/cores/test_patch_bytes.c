/* The output of dx_patch.h's maker, byte for byte. Where to search, what to select and how to encode it are hundreds of decisions,
   none of which another test can see, since every patch applies. This test pins them: the same bytes on every machine, with any
   memory of the same size, whatever it contained. To change the maker's decisions, regenerate the table in the same commit
   (DX_TEST_SHOW=1 prints it), and check what became larger. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../patch_pairs.h"

enum { ROOM = 16 << 20 };

/* How a patch is made. */
typedef struct way {
    const char   *name;
    dx_patch_kind kind;
    uint32_t      codings;
    uint32_t      level;
    uint32_t      block_size;
    size_t        size;   /* bytes of base and target */
    size_t        memory; /* bytes; 0: the optimum */
    bool          one_way;
} way;

enum { PLAIN = 1u << DX_PATCH_CODING_PLAIN, RANGE = 1u << DX_PATCH_CODING_RANGE, BRIEF = 1u << DX_PATCH_CODING_BRIEF,
       STREAMS = 1u << DX_PATCH_CODING_STREAMS };

static const way ways[] = {
    {"plain", DX_PATCH_KIND_DELTA, PLAIN, 6, 0, 24576, 0, false},
    {"level 1", DX_PATCH_KIND_DELTA, RANGE, 1, 0, 40960, 0, false},
    {"level 2", DX_PATCH_KIND_DELTA, RANGE, 2, 0, 40960, 0, false},
    {"level 3", DX_PATCH_KIND_DELTA, RANGE, 3, 0, 40960, 0, false},
    {"level 4", DX_PATCH_KIND_DELTA, RANGE, 4, 0, 40960, 0, false},
    {"level 5", DX_PATCH_KIND_DELTA, RANGE, 5, 0, 40960, 0, false},
    {"level 6", DX_PATCH_KIND_DELTA, RANGE, 6, 0, 40960, 0, false},
    {"level 7", DX_PATCH_KIND_DELTA, RANGE, 7, 0, 40960, 0, false},
    {"level 8", DX_PATCH_KIND_DELTA, RANGE, 8, 0, 40960, 0, false},
    {"level 9", DX_PATCH_KIND_DELTA, RANGE, 9, 0, 40960, 0, false},
    {"little memory", DX_PATCH_KIND_DELTA, RANGE, 6, 0, 131072, 120000, false},
    {"large", DX_PATCH_KIND_DELTA, RANGE, 6, 0, 327680, 0, false},
    {"blocks", DX_PATCH_KIND_BLOCKS, PLAIN, 0, 256, 24576, 0, false},
    {"brief blocks", DX_PATCH_KIND_BLOCKS, BRIEF, 0, 64, 24576, 0, true},
    {"flash", DX_PATCH_KIND_FLASH, 0, 0, 4096, 24576, 0, false},
    {"streams, level 1", DX_PATCH_KIND_DELTA, STREAMS, 1, 0, 40960, 0, false},
    {"streams, level 3", DX_PATCH_KIND_DELTA, STREAMS, 3, 0, 40960, 0, false},
    {"streams, level 5", DX_PATCH_KIND_DELTA, STREAMS, 5, 0, 40960, 0, false},
    {"streams, level 6", DX_PATCH_KIND_DELTA, STREAMS, 6, 0, 40960, 0, false},
    {"streams, level 9", DX_PATCH_KIND_DELTA, STREAMS, 9, 0, 40960, 0, false},
    {"streams, large", DX_PATCH_KIND_DELTA, STREAMS, 6, 0, 327680, 0, false},
    {"streams, little memory", DX_PATCH_KIND_DELTA, STREAMS, 6, 0, 131072, 6000000, false},
    {"what is smaller", DX_PATCH_KIND_DELTA, STREAMS | RANGE, 8, 0, 40960, 0, false},
};

enum { WAYS = sizeof ways / sizeof *ways };

/* The first 8 bytes of each patch's BLAKE3, as a number; its size in bytes. */
static const struct {
    uint64_t hash;
    uint32_t size;
} expected[WAYS][SORTS] = {
    { /* plain */
        {UINT64_C(0xe509a988357c0798), 24712},
        {UINT64_C(0x850d0b92f27d8ff1), 24712},
        {UINT64_C(0xb2dc659e9d525441), 24712},
        {UINT64_C(0x36e6c98a602e1feb), 24712},
        {UINT64_C(0xd17908030d6bd372), 24712},
        {UINT64_C(0x691ce6348387f08f), 24712},
    },
    { /* level 1 */
        {UINT64_C(0xabe836a42c74eec4), 1476},
        {UINT64_C(0x0caeca3b9fa17c0b), 161},
        {UINT64_C(0xb0c211932d04d5a0), 345},
        {UINT64_C(0xee7a6baaee1506ee), 362},
        {UINT64_C(0x137ec0ac4a25261d), 371},
        {UINT64_C(0x1472f691c5c33db8), 370},
    },
    { /* level 2 */
        {UINT64_C(0xabe836a42c74eec4), 1476},
        {UINT64_C(0x0caeca3b9fa17c0b), 161},
        {UINT64_C(0xb0c211932d04d5a0), 345},
        {UINT64_C(0xee7a6baaee1506ee), 362},
        {UINT64_C(0x137ec0ac4a25261d), 371},
        {UINT64_C(0x1472f691c5c33db8), 370},
    },
    { /* level 3 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 4 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 5 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 6 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 7 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 8 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* level 9 */
        {UINT64_C(0x5ea44ee00a4ab49d), 1476},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0x530dbcb6686f4713), 345},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
    { /* little memory */
        {UINT64_C(0x099187b43f8a9a08), 4371},
        {UINT64_C(0xeb5faaa4aab8b7d6), 174},
        {UINT64_C(0x4eb55b1cce1e62f8), 781},
        {UINT64_C(0x2cca85aa0cde65e9), 802},
        {UINT64_C(0x7a729fefd52861fd), 802},
        {UINT64_C(0xd80da314a51da75b), 781},
    },
    { /* large */
        {UINT64_C(0xab6586e7921f073d), 10687},
        {UINT64_C(0x5fc46a3b91cf254b), 181},
        {UINT64_C(0x080926683ff0371f), 1646},
        {UINT64_C(0x72ada386568bd732), 1755},
        {UINT64_C(0xf7e26da42ff5898f), 1699},
        {UINT64_C(0x11a254c9a3b4be49), 1722},
    },
    { /* blocks */
        {UINT64_C(0x3c2cdcbf06c71c7c), 12513},
        {UINT64_C(0xe1e6daf492c02ad1), 12845},
        {UINT64_C(0x62c5b25a0be0a269), 18919},
        {UINT64_C(0x6dbf8b3b590aa08c), 24479},
        {UINT64_C(0x208673047dfd6bc5), 24165},
        {UINT64_C(0x29ceb0eeaf9cdae4), 24769},
    },
    { /* brief blocks */
        {UINT64_C(0xe93715c399dd083b), 6812},
        {UINT64_C(0xf8d3338a16383375), 13233},
        {UINT64_C(0xdf80b3a9722bcee3), 19998},
        {UINT64_C(0x412d4b30746915cf), 25876},
        {UINT64_C(0x92e375ee4bdf9b67), 25499},
        {UINT64_C(0xd2fd9c2b2c9c28c1), 26175},
    },
    { /* flash */
        {UINT64_C(0x97553429e1de064e), 1093},
        {UINT64_C(0x722df30e1c809f95), 477},
        {UINT64_C(0x18d367824e77772a), 7217},
        {UINT64_C(0x72fa62f5d3945762), 304},
        {UINT64_C(0xe49974050f2f4734), 308},
        {UINT64_C(0x3bf84a58aa0b6bee), 323},
    },
    { /* streams, level 1 */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x3db11e820cdbfcbe), 216},
        {UINT64_C(0x2b28cf8a591eeaeb), 231},
        {UINT64_C(0x21fa646f1a6dd892), 424},
        {UINT64_C(0x1ff01e640ad95153), 435},
        {UINT64_C(0xb512fedf42ee13ad), 429},
    },
    { /* streams, level 3 */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x3db11e820cdbfcbe), 216},
        {UINT64_C(0xa7dabc82dd86e49e), 230},
        {UINT64_C(0x48a5edd23f4fc836), 421},
        {UINT64_C(0x499432a151da8430), 431},
        {UINT64_C(0xd14e6b63b8d770e5), 426},
    },
    { /* streams, level 5 */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x3db11e820cdbfcbe), 216},
        {UINT64_C(0xa7dabc82dd86e49e), 230},
        {UINT64_C(0x48a5edd23f4fc836), 421},
        {UINT64_C(0x499432a151da8430), 431},
        {UINT64_C(0xd14e6b63b8d770e5), 426},
    },
    { /* streams, level 6 */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x3db11e820cdbfcbe), 216},
        {UINT64_C(0xa7dabc82dd86e49e), 230},
        {UINT64_C(0x48a5edd23f4fc836), 421},
        {UINT64_C(0x499432a151da8430), 431},
        {UINT64_C(0xd14e6b63b8d770e5), 426},
    },
    { /* streams, level 9 */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x3db11e820cdbfcbe), 216},
        {UINT64_C(0xa7dabc82dd86e49e), 230},
        {UINT64_C(0x48a5edd23f4fc836), 421},
        {UINT64_C(0x499432a151da8430), 431},
        {UINT64_C(0xd14e6b63b8d770e5), 426},
    },
    { /* streams, large */
        {UINT64_C(0x02c41e8a7640c267), 231},
        {UINT64_C(0x3318a33beb9430fe), 223},
        {UINT64_C(0xa09ac5dfd2164581), 252},
        {UINT64_C(0x08c83ea5efc20281), 1537},
        {UINT64_C(0x15302a8308b12867), 1610},
        {UINT64_C(0xde7b90597ac04753), 1503},
    },
    { /* streams, little memory */
        {UINT64_C(0x5d9e9c27191e7e55), 231},
        {UINT64_C(0x796cc75918b99794), 224},
        {UINT64_C(0x09b354bb8fe06e0c), 233},
        {UINT64_C(0xe7e4875dc0d44c4b), 863},
        {UINT64_C(0xcf1009d1c00c8979), 908},
        {UINT64_C(0xa37fa2c2e3398db7), 836},
    },
    { /* whichever is smaller */
        {UINT64_C(0x6086c4c0c685301f), 230},
        {UINT64_C(0x1d17a242419de963), 161},
        {UINT64_C(0xa7dabc82dd86e49e), 230},
        {UINT64_C(0x9d83ed6f37162036), 361},
        {UINT64_C(0xcb2df20230ab6cd5), 370},
        {UINT64_C(0x2f840f00c92aa3a2), 369},
    },
};

enum { REFUSED = 1 }; /* instead of a hash: streams alone need more memory than that */

/* A patch made with `w` from these files, hashed. The previous content of the memory must not matter. */
static uint64_t hash_of(const way *w, const uint8_t *from, const uint8_t *to, int before, size_t *size)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    dx_patch_create_desc d;
    size_t result;
    memset(&d, 0, sizeof d);
    d.kind = w->kind;
    d.codings = w->codings;
    d.level = w->level;
    d.block_size = w->block_size;
    d.one_way = w->one_way;
    d.memory_size = w->memory ? w->memory : dx_patch_create_memory_size(&d, w->size, w->size);
    d.memory = malloc(d.memory_size);
    memset(d.memory, before, d.memory_size);
    const size_t bound = dx_patch_bound(&d, w->size, w->size);
    uint8_t *made = (uint8_t *)malloc(bound);
    const int error = dx_patch_create(&d, from, w->size, to, w->size, made, bound, size);
    if (error == DX_PATCH_ENOMEM && w->memory && w->codings == STREAMS) {
        free(d.memory);
        free(made);
        return REFUSED;
    }
    DX_CHECK_EQ(error, 0);
    dx_patch_hash(made, *size, hash);
    if (w->kind != DX_PATCH_KIND_FLASH) {
        uint8_t *back = (uint8_t *)malloc(w->size), *memory = (uint8_t *)malloc(ROOM);
        DX_CHECK_EQ(dx_patch_apply(from, w->size, made, *size, back, w->size, &result, memory, ROOM), 0);
        DX_CHECK_EQ(result, w->size);
        DX_CHECK_MEM(back, to, w->size);
        free(memory);
        free(back);
    }
    free(d.memory);
    free(made);
    return dx_patch_p_load64(hash);
}

DX_TEST(p_patches_are_the_same_to_the_byte)
{
    for (int i = 0; i < WAYS; i++) {
        const way *w = &ways[i];
        uint8_t *from = (uint8_t *)malloc(w->size), *to = (uint8_t *)malloc(w->size);
        if (getenv("DX_TEST_SHOW")) printf("    { /* %s */\n", w->name);
        for (int sort = 0; sort < SORTS; sort++) {
            size_t size;
            fill_pair(sort, from, to, w->size);
            const uint64_t hash = hash_of(w, from, to, i & 1 ? 255 : 0x5a, &size);
            if (getenv("DX_TEST_SHOW")) {
                printf("        {UINT64_C(0x%016llx), %lu},\n", (unsigned long long)hash, (unsigned long)size);
                continue;
            }
            DX_CHECK_EQ(size, expected[i][sort].size);
            DX_CHECK_EQ(hash, expected[i][sort].hash);
        }
        if (getenv("DX_TEST_SHOW")) printf("    },\n");
        free(from);
        free(to);
    }
}

/* By bisection: the least memory with which the patch differs from that made with `low` bytes. */
static size_t memory_that_matters(way *w, const uint8_t *from, const uint8_t *to, size_t low, size_t high)
{
    size_t size;
    w->memory = low;
    const uint64_t first = hash_of(w, from, to, 0, &size);
    while (high - low > 1) {
        w->memory = low + (high - low) / 2;
        if (hash_of(w, from, to, 0, &size) == first) low = w->memory;
        else high = w->memory;
    }
    return high;
}

/* The available memory decides whether streams are made at all, what is indexed and how much is tried. These thresholds must not
   depend on the size of a pointer, nor on the address of the memory. */
DX_TEST(p_the_same_memory_gives_the_same_patch_on_every_machine)
{
    static const struct { int sort; size_t size, low, high, matters; } expected_at[] = {
        {SORT_EDITS, 98304, 3000000, 16000000, 4501397},
        {SORT_CALLS, 98304, 3000000, 16000000, 4495745},
        {SORT_EDITS, 524288, 3000000, 24000000, 13058703},
        {SORT_EDITS, 524288, 6500000, 24000000, 11615841},
        {SORT_EDITS, 524288, 8500000, 24000000, 13058703},
        {SORT_TEXT, 524288, 6500000, 24000000, 11615695},
        {SORT_TEXT, 524288, 8500000, 24000000, 13058439},
    };
    for (size_t i = 0; i < sizeof expected_at / sizeof *expected_at; i++) {
        const size_t size = expected_at[i].size;
        uint8_t *from = (uint8_t *)malloc(size), *to = (uint8_t *)malloc(size);
        way w = {"", DX_PATCH_KIND_DELTA, STREAMS, 6, 0, size, 0, false};
        fill_pair(expected_at[i].sort, from, to, size);
        const size_t matters = memory_that_matters(&w, from, to, expected_at[i].low, expected_at[i].high);
        if (getenv("DX_TEST_SHOW")) printf("        {.., %lu}\n", (unsigned long)matters);
        else DX_CHECK_EQ(matters, expected_at[i].matters);
        free(from);
        free(to);
    }
}
