/* The implementation of dx_bulk.h, with the fast CRC-32C. */
#include "../../layers/dx_crc32c.h"
#define DX_BULK_CRC32C dx_crc32c_update
#define DX_BULK_IMPLEMENTATION
#include "../../layers/dx_bulk.h"
