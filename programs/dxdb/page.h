/* The page of a server: its queries and what they return now. */
#ifndef DXDB_PAGE_H
#define DXDB_PAGE_H

extern const char dxdb_page[]; /* HTML */

#endif
