/* dx_patch.h at the ends of its ranges: sizes near SIZE_MAX, no base, no target, limits that nothing can keep. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* 0 is how both say "above SIZE_MAX"; a sum that wraps would be a small number, and a buffer too small. */
DX_TEST(sizes_that_no_memory_has)
{
    static const dx_patch_kind kinds[] = {DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_DELTA, DX_PATCH_KIND_FLASH};
    for (size_t k = 0; k < 3; k++) {
        dx_patch_create_desc d = {0};
        d.kind = kinds[k];
        d.block_size = k == 1 ? 0 : 256;
        for (size_t back = 0; back < 150; back++) { /* a delta takes 160 bytes more than its target */
            size_t size = SIZE_MAX - back;
            DX_CHECK_EQ(dx_patch_bound(&d, size, size), 0);
            DX_CHECK_EQ(dx_patch_bound(&d, k == 1 ? 0 : size, k == 1 ? size : 0), 0);
            if (k) DX_CHECK_EQ(dx_patch_create_memory_size(&d, size, 0), 0);
            if (k) DX_CHECK_EQ(dx_patch_create_memory_size(&d, 0, size), 0);
        }
        /* What does not fit says so; what fits never gets less than a smaller size does. */
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

/* "NULL when empty": nothing is computed from a null pointer either, which a sanitizer of clang sees. */
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

/* Applying takes some memory, whatever the kind; a limit below that is told from a lack of memory here. */
DX_TEST(a_limit_that_no_patch_keeps)
{
    static uint8_t memory[1 << 18], patch[1024];
    static const dx_patch_kind kinds[] = {DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_DELTA, DX_PATCH_KIND_FLASH};
    static const uint64_t least[] = {1040, 17044, 5696};
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
