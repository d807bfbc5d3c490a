/* The implementation of dx_patch.h, once for all programs: it takes longest to compile. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
