/* The implementation of dx_patch.h, which takes longest to compile. Its own CRC-32C is small, not
   fast. */
#include "../../layers/dx_crc32c.h"
#define DX_PATCH_CRC32C dx_crc32c_update
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
