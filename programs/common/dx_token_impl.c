/* The implementation of dx_token.h, and of the layer below it. */
#define DX_SHA256_IMPLEMENTATION
#define DX_TOKEN_IMPLEMENTATION
#include "../../layers/dx_token.h"
