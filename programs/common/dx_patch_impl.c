/* The implementation of dx_patch.h, which takes longest to compile. Its own CRC-32C and BLAKE3 are
   small, not fast, so those of dx_crc32c.h and dx_cas.h take their place. */
#include "../../dx_cas.h"
#include "../../layers/dx_crc32c.h"

static void hash_part(uint64_t offset, const uint8_t *p, size_t size, uint8_t *value)
{
    dx_cas_blake3 plain;
    dx_cas_blake3_init(&plain);
    (void)dx_cas_blake3_part(&plain, offset, p, size, value); /* it refuses other sizes only */
}
#define DX_PATCH_BLAKE3 hash_part
#define DX_PATCH_CRC32C dx_crc32c_update
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
