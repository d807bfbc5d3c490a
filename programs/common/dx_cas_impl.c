/* The implementation of dx_cas.h, with the fast CRC-32C. */
#include "../../layers/dx_crc32c.h"
#define DX_CAS_CRC32C dx_crc32c_update
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
