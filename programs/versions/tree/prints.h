/* Fingerprints of chunks: whether a file still has the chunk that it had, at the speed of memory,
   without BLAKE3 and without reading the old chunk. The table is a cache in memory: a chunk that is
   not in it is read and hashed as usual. */
#ifndef VERSIONS_TREE_PRINTS_H
#define VERSIONS_TREE_PRINTS_H

#include "../../common/common.h"

enum { VERSIONS_PRINTS_MEMORY = 8 << 20 }; /* bytes of a table, used for 5 GB of content */

typedef struct versions_prints versions_prints;
typedef struct versions_print {
    uint64_t low, high;
} versions_print;

/* NULL: this machine has no random numbers, or no fast multiplication. */
versions_prints *versions_prints_open(void);
void versions_prints_close(versions_prints *t);
/* Thread-safe. Two different inputs of one size, up to VERSIONS_CHUNK_MAX, have the same fingerprint
   with a probability of 2^-64, also if an attacker has chosen them: the key is random and secret. */
void versions_print_make(const versions_prints *t, const void *data, size_t size, versions_print *out);
/* Of one thread. */
void versions_prints_note(versions_prints *t, const uint8_t id[PROG_HASH_SIZE],
                          const versions_print *print);
bool versions_prints_has(const versions_prints *t, const uint8_t id[PROG_HASH_SIZE],
                         versions_print *out);

#endif
