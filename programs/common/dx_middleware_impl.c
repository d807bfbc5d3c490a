/* The implementation of dx_middleware.h. */
#define DX_MIDDLEWARE_IMPLEMENTATION
#include "../../layers/dx_middleware.h"
