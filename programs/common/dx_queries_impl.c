/* The implementation of dx_queries.h. */
#define DX_QUERIES_IMPLEMENTATION
#include "queries.h"
