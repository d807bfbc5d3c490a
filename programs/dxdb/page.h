/* The page of a server, and what it loads: files of page/ and examples/, put here by embed.sh. */
#ifndef DXDB_PAGE_H
#define DXDB_PAGE_H

#include <stddef.h>

typedef struct dxdb_page {
    const char          *path;
    const char          *type; /* Content-Type */
    const unsigned char *bytes;
    size_t               size;
} dxdb_page;

extern const dxdb_page dxdb_pages[]; /* the last one has no path */

#endif
