/* Copies objects from one store into another: as they are, or recompressed as deltas of the most
   similar objects. */
#ifndef VERSIONS_COPY_H
#define VERSIONS_COPY_H

#include "store.h"

typedef struct versions_copier versions_copier;

/* repack: recompress, which is slower. */
versions_copier *versions_copier_open(versions_store *from, versions_store *to, bool repack);
void             versions_copier_close(versions_copier *c);
/* Copy an object, unless the other store has it. */
int              versions_copier_copy(versions_copier *c, const uint8_t id[PROG_HASH_SIZE]);

#endif
