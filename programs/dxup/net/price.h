/* What a pull transfers, found out without a network: the same requests and answers as a transfer
   of it has (net/sync.c), between a store and a client that has one version of it. */
#ifndef DXUP_PRICE_H
#define DXUP_PRICE_H

#include "../../versions/store/store.h"

/* Bytes on the wire, both ways, of a pull that brings a directory from one snapshot to another; from
   NULL: where nothing is. They
   are those of a client without --owner where nothing else gives entries owners of their own. */
int dxup_price(versions_store *s, const uint8_t from[PROG_HASH_SIZE],
               const uint8_t to[PROG_HASH_SIZE], uint64_t *size);

#endif
