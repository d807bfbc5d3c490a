/* The implementation of dx_crc32c.h: CRC-32C by the instructions of the processor. */
#define DX_CRC32C_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
