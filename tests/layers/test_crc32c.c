/* Tests of layers/dx_crc32c.h: the instructions of the processor against the table. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

DX_TEST(the_method_of_the_checksum_has_a_name)
{
    const char *const method = dx_crc32c_method();
#ifdef DX_CRC32C_PORTABLE
    DX_CHECK_STR(method, "portable");
#else
    DX_CHECK(!strcmp(method, "sse4.2") || !strcmp(method, "armv8") || !strcmp(method, "portable"));
#endif
}

/* The instructions give the same result as the nibble table, at every size around their steps, and in pieces. */
DX_TEST(the_checksum_is_the_same_with_instructions)
{
    static uint8_t bytes[40000];
    DX_CHECK_EQ(dx_crc32c_update(0, "123456789", 9), 0xe3069283u); /* RFC 3720's check value */
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 167 + (i >> 7));
    for (size_t size = 0; size < 70; size++)
        DX_CHECK_EQ(dx_crc32c_update(0, bytes + size, size), dx_crc32c_p_crc32c(0, bytes + size, size));
    for (size_t size = 16360; size < 16390; size++) {
        DX_CHECK_EQ(dx_crc32c_update(7, bytes, size), dx_crc32c_p_crc32c(7, bytes, size));
        DX_CHECK_EQ(dx_crc32c_update(dx_crc32c_update(0, bytes, size), bytes + size, 33), dx_crc32c_p_crc32c(0, bytes, size + 33));
    }
    DX_CHECK_EQ(dx_crc32c_update(0, bytes, sizeof bytes), dx_crc32c_p_crc32c(0, bytes, sizeof bytes));
}
