/* dx_queries.h with one key size for all programs, since every file must agree on it. */
#ifndef QUERIES_H
#define QUERIES_H

#define DX_QUERIES_KEY_MAX 4096
#include "../../layers/dx_queries.h"

#endif
