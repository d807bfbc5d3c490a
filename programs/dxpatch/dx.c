/* The implementation of dx_patch.h, once for the whole program. */
#ifdef DXUP_ZSTD_LIBRARY
#define DX_PATCH_ZSTD
#endif
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
