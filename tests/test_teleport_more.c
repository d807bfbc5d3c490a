/* Tests of dx_teleport.h that mutants asked for: what is done eight bytes at a time, at every length and place. */
#define DX_IMPLEMENTATION
#include "../dx_teleport.h"
#define DX_TEST_MAIN
#include "dx_test.h"

/* A byte above 127 at each place of a text of each length; the bytes around the text are not looked at. */
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

/* Copied on the way; what is not UTF-8 is found wherever it stands. */
DX_TEST(tp_text_is_copied_and_checked_at_every_length_and_place)
{
    char from[80];
    uint8_t to[96];
    for (size_t size = 1; size <= 80; size++) {
        for (size_t at = 0; at <= size; at++) { /* at == size: all is good */
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
