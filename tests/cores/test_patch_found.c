/* dx_patch.h at the ends of its ranges: sizes near SIZE_MAX, no base, no target, limits that nothing can meet. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* Both functions return 0 for "above SIZE_MAX"; a sum that wraps would be a small number, and a buffer too small. */
DX_TEST(sizes_that_no_memory_has)
{
    static const dx_patch_kind kinds[] = {DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_DELTA, DX_PATCH_KIND_FLASH};
    for (size_t k = 0; k < 3; k++) {
        dx_patch_create_desc d = {0};
        d.kind = kinds[k];
        d.block_size = k == 1 ? 0 : 256;
        for (size_t back = 0; back < 150; back++) { /* a delta needs 160 bytes more than its target */
            size_t size = SIZE_MAX - back;
            DX_CHECK_EQ(dx_patch_bound(&d, size, size), 0);
            DX_CHECK_EQ(dx_patch_bound(&d, k == 1 ? 0 : size, k == 1 ? size : 0), 0);
            if (k) DX_CHECK_EQ(dx_patch_create_memory_size(&d, size, 0), 0);
            if (k) DX_CHECK_EQ(dx_patch_create_memory_size(&d, 0, size), 0);
        }
        /* A size that does not fit is reported; one that fits never gets less than a smaller size. */
        size_t least_bound = dx_patch_bound(&d, 0, 0), least_memory = dx_patch_create_memory_size(&d, 0, 0);
        for (size_t size = 1; size <= SIZE_MAX / 2; size = 2 * size + size / 7) {
            size_t bound = dx_patch_bound(&d, size, size), memory = dx_patch_create_memory_size(&d, size, size);
            DX_CHECK(bound == 0 || (bound >= least_bound && bound > size));
            DX_CHECK(memory == 0 || memory >= least_memory);
            if (least_bound) least_bound = bound ? bound : SIZE_MAX;
            if (least_memory) least_memory = memory ? memory : SIZE_MAX;
        }
    }
}

/* "NULL when empty": no arithmetic on a null pointer either, which clang's sanitizer detects. */
DX_TEST(null_for_what_is_empty)
{
    static uint8_t memory[1 << 18], patch[4096], out[400], text[400];
    static const dx_patch_kind kinds[] = {DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_DELTA, DX_PATCH_KIND_FLASH};
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)"some text, "[i % 11];
    for (size_t k = 0; k < 3; k++)
        for (uint32_t level = 1; level <= 9; level++)
            for (size_t which = 0; which < 3; which++) {
                dx_patch_create_desc d = {0};
                size_t base_size = which == 1 ? sizeof text : 0, target_size = which == 2 ? sizeof text : 0;
                size_t patch_size = 0, size = 0;
                d.memory = memory;
                d.memory_size = sizeof memory;
                d.kind = kinds[k];
                d.level = level;
                DX_CHECK_EQ(dx_patch_create(&d, base_size ? text : NULL, base_size, target_size ? text : NULL,
                                            target_size, patch, sizeof patch, &patch_size),
                            0);
                if (kinds[k] == DX_PATCH_KIND_FLASH) continue;
                DX_CHECK_EQ(dx_patch_apply(base_size ? text : NULL, base_size, patch, patch_size, out, sizeof out,
                                           &size, memory, sizeof memory),
                            0);
                DX_CHECK_EQ(size, target_size);
                DX_CHECK_MEM(out, text, size);
            }
}

/* Applying needs some memory, whatever the kind; a lower limit must be distinguished from lack of memory here. */
DX_TEST(a_limit_that_no_patch_keeps)
{
    static uint8_t memory[1 << 18], patch[1024];
    static const dx_patch_kind kinds[] = {DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_DELTA, DX_PATCH_KIND_FLASH};
    static const uint64_t least[] = {1040, 17044, DX_PATCH_FLASH_SMALL_MEMORY};
    for (size_t k = 0; k < 3; k++) {
        dx_patch_create_desc d = {0};
        dx_patch_header header;
        size_t size = 0;
        d.memory = memory;
        d.memory_size = sizeof memory;
        d.kind = kinds[k];
        d.apply_memory_max = least[k] - 1;
        DX_CHECK_EQ(dx_patch_create(&d, "a", 1, "b", 1, patch, sizeof patch, &size), DX_PATCH_ETOOBIG);
        DX_CHECK_EQ(size, 0);
        d.apply_memory_max++;
        DX_CHECK_EQ(dx_patch_create(&d, "a", 1, "b", 1, patch, sizeof patch, &size), 0);
        DX_CHECK_EQ(dx_patch_info(patch, size, &header), 0);
        DX_CHECK_EQ(header.memory_size, least[k]);
    }
}

static uint64_t random_state = 7;
static uint8_t random_byte(void)
{
    return (uint8_t)dx_test_random(&random_state);
}

/* The hash of data that ends one byte before, at and after every place where whole subtrees are hashed at once: in one call, from
   memory that ends there, and in small pieces. */
DX_TEST(pt_hash_ends_around_subtrees)
{
    static const size_t ends[] = {1024, 8192, 16384, 24576, 65536, 73728};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (size_t size = ends[i] - 1; size <= ends[i] + 1; size++) {
            uint8_t *p = malloc(size), whole[32], pieces[32];
            dx_patch_p_blake3 h;
            for (size_t k = 0; k < size; k++) p[k] = random_byte();
            dx_patch_hash(p, size, whole);
            dx_patch_p_hash_start(&h);
            for (size_t k = 0; k < size; k += 1000) dx_patch_p_hash_update(&h, p + k, size - k < 1000 ? size - k : 1000);
            dx_patch_p_hash_finish(&h, pieces);
            DX_CHECK_MEM(whole, pieces, 32);
            free(p);
        }
}

/* Every limit of the five parameters: the last valid value and the first invalid one. */
DX_TEST(pt_parameters_at_their_limits)
{
    static const struct {
        uint8_t bytes[5];
        bool good, plain; /* plain: valid in plain coding, too */
    } cases[] = {
        {{0, 34, 0, 0, 0}, true, true},      {{8, 34, 0, 0, 0}, true, false},     {{9, 34, 0, 0, 0}, false, false},
        {{15, 34, 0, 0, 0}, false, false},   {{0x30, 34, 0, 0, 0}, true, false},  {{0x40, 34, 0, 0, 0}, true, false},
        {{0x80, 34, 0, 0, 0}, false, false}, {{0, 35, 0, 0, 0}, true, false},     {{0, 33, 0, 0, 0}, false, false},
        {{0, 36, 0, 0, 0}, false, false},    {{0, 98, 0, 0, 0}, false, false},    {{0, 162, 0, 0, 0}, false, false},
        {{0, 34, 32, 0, 0}, true, false},    {{0, 34, 33, 0, 0}, false, false},   {{0, 34, 1, 0, 0}, true, false},
        {{0, 34, 0, 7, 8}, false, false},    {{0, 34, 0, 8, 8}, true, false},     {{0, 34, 0, 28, 8}, true, false},
        {{0, 34, 0, 29, 8}, false, false},   {{0, 34, 0, 8, 4}, false, false},    {{0, 34, 0, 8, 5}, true, false},
        {{0, 34, 0, 8, 28}, true, false},    {{0, 34, 0, 8, 29}, false, false},   {{0, 34, 0, 0, 1}, false, false},
        {{0, 34, 0, 0, 29}, false, false},   {{0, 34, 0, 1, 0}, false, false},    {{0, 34, 0, 8, 0}, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dx_patch_p_delta d;
        memset(&d, 0, sizeof d);
        DX_CHECK_EQ(dx_patch_p_parse_parameters(&d, cases[i].bytes, false), cases[i].good ? 0 : DX_PATCH_EVERSION);
        DX_CHECK_EQ(dx_patch_p_parse_parameters(&d, cases[i].bytes, true), cases[i].plain ? 0 : DX_PATCH_EVERSION);
    }
}

/* Which words are Thumb branches: 11110 in the first halfword, 1x1 from bit 15 of the second. All other bits are free. */
DX_TEST(pt_thumb_branches)
{
    static const struct {
        uint32_t first, second;
        bool branch;
    } cases[] = {
        {0xf000, 0xd000, true},  {0xf000, 0xf800, true},  {0xf7ff, 0xffff, true},  {0xf3ff, 0x9000, true}, /* BL, B.W */
        {0xf000, 0xb800, true},  {0xf000, 0x8000, false}, {0xf000, 0xc000, false}, {0xf000, 0xe800, false}, /* Bcc.W, BLX */
        {0xf000, 0x5000, false}, {0xf000, 0x1000, false}, {0xf800, 0xd000, false}, {0xe800, 0xd000, false},
        {0xe000, 0xf800, false}, {0xd000, 0xd000, false}, {0xb000, 0xd000, false}, {0x7000, 0xd000, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[8] = {0, 0, 0, 0, (uint8_t)cases[i].first, (uint8_t)(cases[i].first >> 8), (uint8_t)cases[i].second,
                            (uint8_t)(cases[i].second >> 8)};
        dx_patch_p_block b;
        dx_patch_p_field f;
        memset(&b, 0, sizeof b);
        b.old_bytes = bytes + 4;
        b.old_at = 2; /* no place for an aligned address */
        b.size = b.limit = 4;
        b.from = -2;
        f = dx_patch_p_locate(DX_PATCH_P_ID_THUMB, &b, 0, b.from);
        DX_CHECK_EQ(f.size, cases[i].branch ? 4u : 0u);
        if (f.size) DX_CHECK_EQ(f.form, DX_PATCH_P_FORM_BL);
        if (f.size) DX_CHECK_EQ(f.bits, 24u);
    }
}

/* One byte less than the size of a patch is not enough, exactly its size is, and nothing is written beyond it. */
DX_TEST(pt_every_output_capacity)
{
    static const struct {
        dx_patch_kind kind;
        uint32_t codings;
    } cases[] = {{DX_PATCH_KIND_DELTA, 1}, {DX_PATCH_KIND_DELTA, 2}, {DX_PATCH_KIND_DELTA, 3}, {DX_PATCH_KIND_FLASH, 0},
                 {DX_PATCH_KIND_BLOCKS, 1}, {DX_PATCH_KIND_BLOCKS, 8}};
    static uint8_t base[700], target[600], memory[1 << 18];
    for (size_t i = 0; i < sizeof base; i++) base[i] = random_byte();
    memcpy(target, base + 50, sizeof target);
    for (size_t i = 100; i < 130; i++) target[i] = random_byte();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dx_patch_create_desc desc;
        uint8_t all[2048];
        size_t need, size;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.kind = cases[i].kind;
        desc.codings = cases[i].codings;
        if (desc.kind == DX_PATCH_KIND_FLASH) desc.block_size = 256;
        DX_CHECK_EQ(dx_patch_create(&desc, base, sizeof base, target, sizeof target, all, sizeof all, &need), 0);
        for (size_t capacity = 0; capacity <= need; capacity++) {
            uint8_t *out = malloc(capacity ? capacity : 1);
            int error = dx_patch_create(&desc, base, sizeof base, target, sizeof target, out, capacity, &size);
            DX_CHECK_EQ(error, capacity < need ? DX_PATCH_ENOSPACE : DX_PATCH_OK);
            if (!error) DX_CHECK_MEM(out, all, need);
            free(out);
        }
    }
}

/* The least memory for the maker, to the byte, with more matches than it can keep. */
DX_TEST(pt_maker_in_the_least_memory)
{
    enum { PIECE = 200, PIECES = 150 };
    static const size_t more[] = {0, 1, 2, 8, 101, 1001, 1501, 2501, 4097};
    static uint8_t base[PIECE * PIECES], target[PIECE * PIECES], out[PIECE * PIECES + 4096], back[PIECE * PIECES], work[1 << 18];
    for (size_t i = 0; i < sizeof base; i++) base[i] = random_byte();
    for (size_t i = 0; i < PIECES; i++) memcpy(target + PIECE * i, base + PIECE * (PIECES - 1 - i), PIECE);
    for (int flash = 0; flash < 2; flash++)
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
            size_t memory_size = DX_PATCH_P_MAKER_MIN - 1 + more[i];
            dx_patch_create_desc desc;
            size_t size, got;
            int error;
            memset(&desc, 0, sizeof desc);
            if (flash) desc.kind = DX_PATCH_KIND_FLASH;
            desc.memory = malloc(memory_size);
            desc.memory_size = memory_size;
            error = dx_patch_create(&desc, base, sizeof base, target, sizeof target, out, sizeof out, &size);
            if (memory_size < DX_PATCH_P_MAKER_MIN) DX_CHECK_EQ(error, DX_PATCH_ENOMEM);
            else DX_CHECK_EQ(error, 0);
            if (!error && !flash) {
                DX_CHECK_EQ(dx_patch_apply(base, sizeof base, out, size, back, sizeof back, &got, work, sizeof work), 0);
                DX_CHECK_MEM(back, target, sizeof target);
            }
            free(desc.memory);
        }
}

/* dx_patch_create() with these codings and a buffer of exactly this size at an odd address. */
static int create_with(uint32_t codings, const uint8_t *base, const uint8_t *target, size_t size, size_t memory_size, uint8_t *out,
                       size_t capacity, size_t *got)
{
    uint8_t *memory = malloc(memory_size + 1);
    dx_patch_create_desc desc;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.codings = codings;
    desc.memory = memory + 1;
    desc.memory_size = memory_size;
    error = dx_patch_create(&desc, base, size, target, size, out, capacity, got);
    free(memory);
    return error;
}

/* Streams alone: bisection finds the least memory. It suffices, and one byte less fails with ENOMEM or selects another allowed
   coding. */
DX_TEST(streams_alone_in_the_least_memory)
{
    enum { SIZE = 20000 };
    static const size_t sizes[] = {0, 1, 100, 5000, SIZE};
    static uint8_t base[SIZE], target[SIZE], out[SIZE + 4096], back[SIZE], work[1 << 20];
    const uint32_t streams = 1u << DX_PATCH_CODING_STREAMS, range = 1u << DX_PATCH_CODING_RANGE;
    for (int related = 0; related < 2; related++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t size = sizes[i], less = DX_PATCH_STREAMS_MEMORY_MIN - 1, least, got, applied;
            dx_patch_create_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.codings = streams;
            least = dx_patch_create_memory_size(&desc, size, size);
            for (size_t k = 0; k < size; k++) {
                base[k] = random_byte();
                target[k] = related && k % 211 ? base[k] : random_byte();
            }
            DX_CHECK_EQ(create_with(streams, base, target, size, less, out, sizeof out, &got), DX_PATCH_ENOMEM);
            DX_CHECK_EQ(create_with(streams, base, target, size, least, out, sizeof out, &got), 0);
            while (least - less > 1) {
                size_t middle = less + (least - less) / 2;
                int error = create_with(streams, base, target, size, middle, out, sizeof out, &got);
                DX_CHECK(!error || error == DX_PATCH_ENOMEM);
                if (error) less = middle;
                else least = middle;
            }
            if (!size) DX_CHECK_EQ(least, DX_PATCH_STREAMS_MEMORY_MIN);
            DX_CHECK_EQ(create_with(streams, base, target, size, least - 1, out, sizeof out, &got), DX_PATCH_ENOMEM);
            DX_CHECK_EQ(got, 0);
            DX_CHECK_EQ(create_with(streams | range, base, target, size, least - 1, out, sizeof out, &got), 0);
            DX_CHECK_EQ(create_with(streams, base, target, size, least, out, sizeof out, &got), 0);
            if (related && size >= 5000) DX_CHECK_EQ(out[DX_PATCH_P_AT_CODING], DX_PATCH_CODING_STREAMS);
            DX_CHECK_EQ(dx_patch_apply(base, size, out, got, back, sizeof back, &applied, work, sizeof work), 0);
            DX_CHECK_EQ(applied, size);
            DX_CHECK_MEM(back, target, size);
        }
}
