/* The implementation of dx_hbtp.h, with the fast CRC-32C. */
#include "../../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
