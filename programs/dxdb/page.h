/* The page of a server: its queries and their current results. */
#ifndef DXDB_PAGE_H
#define DXDB_PAGE_H

extern const char dxdb_page[]; /* HTML */

#endif
