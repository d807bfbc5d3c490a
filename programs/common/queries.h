/* dx_queries.h as all programs have it: its keys have one size in every file. */
#ifndef QUERIES_H
#define QUERIES_H

#define DX_QUERIES_KEY_MAX 4096
#include "../../layers/dx_queries.h"

#endif
