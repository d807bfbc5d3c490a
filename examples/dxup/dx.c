/* The implementation of the headers, once for the whole program. */
#ifdef DXUP_ZSTD_LIBRARY
#define DX_PATCH_ZSTD
#endif
#include "../crc32c/crc32c.h"
#define DX_HBTP_CRC32C crc32c
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../dx_reactor.h"
#include "../../dx_teleport.h"
#include "../cache/cache.h"
#include "../cache/edge.h"
#include "../delta/delta.h"
#include "../streams/streams.h"
#include "../tree/tree.h"
