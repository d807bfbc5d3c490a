/* The implementation of dx_cache.h. */
#define DX_CACHE_IMPLEMENTATION
#include "../../layers/dx_cache.h"
