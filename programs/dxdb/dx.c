/* The implementation of the headers, once for the whole program. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#define DX_CAS_CRC32C dx_crc32c_update
#include "dxdb.h"
