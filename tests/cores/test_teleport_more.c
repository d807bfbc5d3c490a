/* Tests of dx_teleport.h that mutants called for: processing in units of eight bytes, at every length and offset. */
#define DX_IMPLEMENTATION
#include <assert.h>
#define DX_TELEPORT_ASSERT(c) assert(c) /* in inline functions, too */
#include "../../dx_teleport.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* A byte above 127 at each offset of a text of each length; the bytes around the text are not read. */
DX_TEST(tp_one_byte_that_is_not_ascii_is_found_at_every_place)
{
    uint8_t memory[3 * 80];
    for (size_t size = 0; size <= 80; size++) {
        uint8_t *text = memory + 80;
        memset(memory, 0xff, sizeof memory);
        memset(text, 'a', size);
        DX_CHECK(dx_teleport_p_ascii(text, size));
        for (size_t at = 0; at < size; at++) {
            for (int high = 0; high < 2; high++) {
                text[at] = high ? 0xff : 0x80;
                DX_CHECK(!dx_teleport_p_ascii(text, size));
            }
            text[at] = 0x7f;
            DX_CHECK(dx_teleport_p_ascii(text, size));
        }
    }
}

/* Copied while checked; invalid UTF-8 is detected at every offset. */
DX_TEST(tp_text_is_copied_and_checked_at_every_length_and_place)
{
    char from[80];
    uint8_t to[96];
    for (size_t size = 1; size <= 80; size++) {
        for (size_t at = 0; at <= size; at++) { /* at == size: all valid */
            for (size_t i = 0; i < size; i++) from[i] = (char)('A' + i % 57);
            if (at < size) from[at] = (char)0xff;
            memset(to, 0xee, sizeof to);
            DX_CHECK_EQ(dx_teleport_check_utf8(from, size), at);
            if (size >= 8) {
                DX_CHECK_EQ(dx_teleport_p_copy_short(to, from, size), at == size);
                if (at == size) DX_CHECK_MEM(to, from, size);
                DX_CHECK_EQ(to[size], 0xee);
                DX_CHECK_EQ(dx_teleport_p_copy_text(to, from, size), at == size);
                if (at == size) DX_CHECK_MEM(to, from, size);
                DX_CHECK_EQ(to[size], 0xee);
            }
        }
    }
}

#define ITEM(F, S, A, L, E, V, N, R, O, ...) \
    F(u8, kind) O(bool, open) O(u8, level) O(i16, shift) O(u32, count) O(i64, best) O(f32, part) O(f64, all) S(name)
DX_TELEPORT_DEFINE(item, ITEM)

/* A writer whose second begin failed writes nothing to its previous buffer. */
DX_TEST(tp_a_writer_whose_begin_failed_changes_nothing)
{
    uint8_t bytes[200], before[200];
    item_writer w;
    size_t size = 0;
    for (int how = 0; how < 3; how++) {
        DX_CHECK_EQ(item_begin(&w, bytes, sizeof bytes, 0), DX_TELEPORT_OK);
        DX_CHECK_EQ(item_set_kind(&w, 3), DX_TELEPORT_OK);
        memcpy(before, bytes, sizeof bytes);
        const int error = how == 0 ? item_begin(&w, NULL, sizeof bytes, 0)
                        : how == 1 ? item_begin(&w, bytes, 5, 0)
                                   : item_begin(&w, bytes, sizeof bytes, 99);
        DX_CHECK_EQ(error, how == 1 ? DX_TELEPORT_ENOSPACE : DX_TELEPORT_EINVAL);
        DX_CHECK_EQ(item_set_kind(&w, 77), error);
        DX_CHECK_EQ(item_set_best(&w, 77), error);
        DX_CHECK_EQ(item_clear_best(&w), error);
        DX_CHECK_EQ(item_put_name(&w, "abc", 3), error);
        DX_CHECK_EQ(item_finish(&w, &size), error);
        DX_CHECK_MEM(bytes, before, sizeof bytes);
    }
}

/* Field names that the header itself could have used for its enumerators, with and without versions. */
#define HARD(F, S, A, L, E, V, N, R, O, ...)                                                   \
    F(u8, first) F(u16, end) S(start) F(u8, last) A(u8, before, 2) F(u8, next) F(u8, align) V(2) \
    F(u64, before_2) F(u8, since) L(u8, mark) E(u8, code, 2) O(u32, count) F(u8, range) V(3)    \
    F(u8, all) F(u8, no) F(u32, fields) F(u8, type) F(u8, layout) F(u8, any)
DX_TELEPORT_DEFINE(hard, HARD)
#define HARD_1(F, S, A, ...) F(u8, first) F(u16, end) S(start) F(u8, last) A(u8, before, 2) F(u8, next) F(u8, align)
DX_TELEPORT_FROZEN(hard, HARD, 1, HARD_1)

DX_TEST(tp_1_fields_may_have_any_name)
{
    uint8_t bytes[200];
    hard_writer w;
    hard_view v;
    size_t size = 0;
    DX_CHECK_EQ(hard_begin(&w, bytes, sizeof bytes, 0), DX_TELEPORT_OK);
    hard_set_first(&w, 1);
    hard_set_end(&w, 2);
    hard_set_before_2(&w, 3);
    hard_set_all(&w, 4);
    hard_set_any(&w, 5);
    DX_CHECK_EQ(hard_put_start(&w, "abc", 3), DX_TELEPORT_OK);
    DX_CHECK_EQ(hard_put_mark(&w, (const uint8_t *)"xy", 2), DX_TELEPORT_OK);
    DX_CHECK_EQ(hard_finish(&w, &size), DX_TELEPORT_OK);
    DX_CHECK_EQ(hard_open(&v, bytes, size), DX_TELEPORT_OK);
    DX_CHECK(hard_get_first(&v) == 1 && hard_get_end(&v) == 2 && hard_get_before_2(&v) == 3);
    DX_CHECK(hard_get_all(&v) == 4 && hard_get_any(&v) == 5 && hard_count_mark(&v) == 2);
    DX_CHECK_EQ(hard_version, 3);
    DX_CHECK_EQ(hard_type()->count, 19);
}

#define PADDED(F, S, A, L, E, V, N, R, O, ...) F(u8, kind) S(name) L(u64, numbers)
DX_TELEPORT_DEFINE(padded, PADDED)

/* Memory that ends anywhere, also inside a list's padding: everything is written, or ENOSPACE and nothing beyond the
   end. */
DX_TEST(tp_memory_of_every_size_and_padding)
{
    static const uint64_t numbers[2] = {1, 2};
    for (size_t name_size = 0; name_size < 9; name_size++) {
        size_t full = 0;
        for (size_t capacity = 300; capacity-- > 0;) {
            uint8_t *const bytes = (uint8_t *)malloc(capacity + 64);
            padded_writer w;
            size_t size = 0;
            memset(bytes, 0xee, capacity + 64);
            padded_begin(&w, bytes, capacity, 0);
            padded_put_name(&w, "12345678", name_size);
            padded_put_numbers(&w, numbers, 2);
            const int error = padded_finish(&w, &size);
            if (!full) full = size;
            DX_CHECK_EQ(error, capacity >= full ? DX_TELEPORT_OK : DX_TELEPORT_ENOSPACE);
            for (size_t i = 0; i < 64; i++) DX_CHECK_EQ(bytes[capacity + i], 0xee);
            free(bytes);
        }
    }
}
