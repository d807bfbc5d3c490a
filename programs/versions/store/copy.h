/* Objects copied from one store into another: as they are, or packed anew as deltas of what is
   most like them. */
#ifndef VERSIONS_COPY_H
#define VERSIONS_COPY_H

#include "store.h"

typedef struct versions_copier versions_copier;

/* repack: take time to make the copy small. */
versions_copier *versions_copier_open(versions_store *from, versions_store *to, bool repack);
void             versions_copier_close(versions_copier *c);
/* One that the other store has already is not copied again. */
int              versions_copier_copy(versions_copier *c, const uint8_t id[PROG_HASH_SIZE]);

#endif
