/* The BLAKE3 of a file, a part at a time, so that an event loop can hash between its turns. */
#ifndef WAN_HASH_H
#define WAN_HASH_H

#include "../../common/common.h"

#include "../../../dx_cas.h"

typedef struct wan_hash {
    dx_cas_blake3 state;
    uint64_t      bytes; /* hashed */
} wan_hash;

void wan_hash_begin(wan_hash *h);
/* Hash the bytes of a file up to an offset, at most a few MiB of them, and for some 50 ms. 0; -1: errno, EIO where the
   file is shorter. */
int  wan_hash_step(wan_hash *h, int file, uint64_t up_to);
void wan_hash_end(const wan_hash *h, uint8_t hash[PROG_HASH_SIZE]);

#endif
