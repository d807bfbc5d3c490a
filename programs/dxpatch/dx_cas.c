/* The implementation of dx_cas.h, of which dx_patch.c uses BLAKE3. */
#define DX_CAS_NO_FILE
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
