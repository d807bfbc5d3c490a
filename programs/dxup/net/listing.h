/* The names of a server and their versions, as `dxup ls HOST:PORT` asks for them: both halves of
   method 6 (wire.h says what an answer is). */
#ifndef DXUP_LISTING_H
#define DXUP_LISTING_H

#include "../../versions/store/store.h"

enum { DXUP_NAMES_TRANSFER = 1 };

/* Server: the answer to a request. *out is allocated, and the caller frees it. PROG_USAGE, without a
   message: malformed; PROG_NOT_FOUND, too: no such name. */
int dxup_names_make(versions_store *s, const void *request, size_t request_size, uint8_t **out,
                    size_t *size);
/* Client: what the server at address has; name "": its names, with their latest versions, and tags;
   else the versions of that name, newest first, then its tags. The caller frees *list. */
int dxup_names_fetch(const char *address, const char *name, versions_version **list,
                     size_t *count);

#endif
