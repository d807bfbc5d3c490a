/* The implementation of the headers, once for the whole program; that of dx_patch.h is
   programs/dxpatch/dx_patch.c. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_CAS_CRC32C dx_crc32c_update
#include "../../dx_cas.h"
#include "../../dx_reactor.h"
#include "../../layers/dx_tree.h"
#include "../../layers/dx_watch.h"
