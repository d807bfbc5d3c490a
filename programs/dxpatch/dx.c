/* The implementation of dx_patch.h, once for the whole program. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
