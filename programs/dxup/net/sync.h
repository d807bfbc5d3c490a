/* Fetches what a store lacks of a snapshot, or of a file: the client's half of docs/formats/sync.md. */
#ifndef DXUP_SYNC_H
#define DXUP_SYNC_H

#include "../../versions/tree/missing.h"

#include "../../../dx_reactor.h"

typedef struct dxup_sync_desc {
    const dx_reactor_address *address;
    const char               *address_text, *name, *backend;
    versions_store           *store; /* open for writing */
    const uint8_t            *root;  /* of the snapshot */
    const uint8_t            *old;   /* another that the store has, like this one; or NULL */
    const versions_missing_file *file; /* not NULL: it is fetched, and these two say nothing */
    const versions_limits    *limits; /* of the snapshot */
    uint64_t                 *sent, *received; /* what crossed the wire is added */
    unsigned                  connections; /* at most; 0: one */
    bool                      patches; /* the server knows patches of objects */
    uint64_t                 *fresh; /* and here bytes of objects that came without a base */
} dxup_sync_desc;

/* All objects of the snapshot are in the store, or what it reads from, or it has failed: then what
   has come is in the store, and is not asked for again. */
int dxup_sync_fetch(const dxup_sync_desc *desc);

#endif
