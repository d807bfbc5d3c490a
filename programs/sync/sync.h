/* Fetches the objects of a snapshot, or of a file, that a store lacks: the client's side of
   docs/formats/sync.md. */
#ifndef DXUP_SYNC_H
#define DXUP_SYNC_H

#include "question.h"
#include "rate.h"
#include "../versions/tree/missing.h"

#include "../../dx_reactor.h"

typedef struct dxup_sync_desc {
    const dx_reactor_address *address;
    const char               *address_text, *name, *backend;
    versions_store           *store; /* open for writing */
    const uint8_t            *root;  /* of the snapshot */
    const uint8_t            *old;   /* a similar snapshot that the store has; or NULL */
    const versions_missing_file *file; /* not NULL: fetch this file, and ignore root and old */
    const versions_limits    *limits; /* of the snapshot */
    uint64_t                 *sent, *received; /* the bytes on the wire are added */
    unsigned                  connections; /* limit; 0: one */
    unsigned                  timeout_s; /* without a byte, see silence.h */
    bool                      patches; /* the server supports patches between objects, */
    bool                      wholes;  /* and makes patches of files (whole.h) */
    dxup_lacking             *lacking; /* not NULL: count content here instead of fetching it */
    dxup_rate                *rate;    /* limits the received bytes */
    uint64_t                 *fresh; /* the bytes of objects received without a base are added */
} dxup_sync_desc;

/* Fetch. After success all objects of the snapshot are in the store or its seed. After a failure
   the received objects are in the store, and are not requested again. */
int dxup_sync_fetch(const dxup_sync_desc *desc);

#endif
