/* Objects copied from one store into another: as they are, or packed anew as deltas of what is
   most like them. */
#ifndef DXUP_COPY_H
#define DXUP_COPY_H

#include "store.h"

typedef struct dxup_copier dxup_copier;

/* repack: take time to make the copy small. */
dxup_copier *dxup_copier_open(dxup_store *from, dxup_store *to, bool repack);
void         dxup_copier_close(dxup_copier *c);
/* One that the other store has already is not copied again. */
int          dxup_copier_copy(dxup_copier *c, const uint8_t id[PROG_HASH_SIZE]);

#endif
