/* The size of a pull, calculated without a network: makes the same requests and answers as a
   transfer (net/sync.c), between a store and a client that has one of its versions. */
#ifndef DXUP_PRICE_H
#define DXUP_PRICE_H

#include "../../versions/store/store.h"

#include "../../../layers/dx_tree.h"

/* The bytes on the wire, in both directions, of a pull that updates a directory from one snapshot
   to another; from NULL: to a new directory. Valid for a client without --owner that also has no
   other source of owners, and a server with this --patch-max. */
int dxup_price(versions_store *s, const uint8_t from[PROG_HASH_SIZE],
               const uint8_t to[PROG_HASH_SIZE], uint64_t patch_max, uint64_t *size);
/* The same for the objects of a file, which is sent so if there is no patch for it (net/patches.h).
   The entries have type, level, id and size; from NULL: the client has no such file. *reused: the client
   takes content from its file. */
int dxup_price_file(versions_store *s, const dx_tree_entry *from, const dx_tree_entry *to,
                    uint64_t *size, bool *reused);

#endif
