/* The implementation of the headers, once for the whole program; that of dx_patch.h is
   programs/dxpatch/dx_patch.c. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#define DX_CAS_CRC32C dx_crc32c_update
#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_reactor.h"
#include "../../dx_teleport.h"
#include "../../layers/dx_cache.h"
#include "../../layers/dx_edge.h"
#include "../../layers/dx_link.h"
#include "../../layers/dx_tree.h"
