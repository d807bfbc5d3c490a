/* The names of a server and their versions, for `dxup ls HOST:PORT`: both sides of method 6 (wire.h
   has the format of an answer). */
#ifndef DXUP_LISTING_H
#define DXUP_LISTING_H

#include "../versions/store/store.h"

enum { DXUP_NAMES_TRANSFER = 1 };

/* Server: make the answer to a request. The caller frees *out. PROG_USAGE: malformed;
   PROG_NOT_FOUND: no such name; neither prints a message. */
int dxup_names_make(versions_store *s, const void *request, size_t request_size, uint8_t **out,
                    size_t *size);
/* Client: fetch the list from the server at address. name "": its names, with their latest
   versions, and tags; otherwise the versions of that name, newest first, then its tags. The
   caller frees *list. */
int dxup_names_fetch(const char *address, const char *name, versions_version **list,
                     size_t *count);

#endif
