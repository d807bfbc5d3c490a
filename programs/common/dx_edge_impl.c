/* The implementation of dx_edge.h. */
#define DX_EDGE_IMPLEMENTATION
#include "../../layers/dx_edge.h"
