/* Checksums of the chunks that arrived, to find what the file does not have any more: another program may write
   into the partial file at any time.

       a chunk arrives        wan_sums_set(): the sum of what the sender sent
       it is hashed           wan_sums_step() with a hash: read, compared, hashed
       all is durable         wan_sums_step() without: read and compared once more, just before the rename

   A chunk of an earlier run has no sum until it is hashed; what the file has then is its sum. */
#ifndef WAN_SUMS_H
#define WAN_SUMS_H

#include "../../common/common.h"

#include "hash.h"

typedef enum wan_sum { WAN_SUM_NONE, WAN_SUM_READ, WAN_SUM_ARRIVED, WAN_SUM_DAMAGED } wan_sum;

typedef struct wan_sums {
    uint64_t  size;       /* of the file */
    uint32_t  chunk_size; /* 0: not open */
    uint32_t  count;
    uint32_t  damaged;    /* chunks that were found to be */
    uint32_t *values;     /* CRC-32C of each */
    uint8_t  *states;     /* wan_sum of each */
    uint8_t  *bytes;      /* of a chunk */
} wan_sums;

/* Forget all, and begin for a file. */
void wan_sums_open(wan_sums *s, uint64_t size, uint32_t chunk_size);
void wan_sums_close(wan_sums *s);
/* These bytes of a chunk have arrived. */
void wan_sums_set(wan_sums *s, uint64_t offset, const uint8_t *bytes, size_t size);
/* Read and compare chunks from *at, for some 20 ms; *at is moved behind them.
   hash: hash them, and stop at a damaged one. 0; -1: errno. */
int  wan_sums_step(wan_sums *s, int file, uint64_t *at, uint64_t up_to, wan_hash *hash);
/* The file's hash is wrong, so what was here before this run is damaged. False: nothing was. */
bool wan_sums_doubt(wan_sums *s);
/* The next damaged chunk from a number on; count: none. It counts as missing from now on. */
uint32_t wan_sums_take(wan_sums *s, uint32_t from);

#endif
