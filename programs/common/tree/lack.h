/* What a store lacks of a snapshot, found from its root down while it comes. */
#ifndef DXUP_TREE_LACK_H
#define DXUP_TREE_LACK_H

#include "tree.h"

enum { DXUP_LACK_BASES_MAX = 2 }; /* of one object */

typedef struct dxup_lack dxup_lack;

typedef struct dxup_lacking { /* an object that is not there */
    uint8_t  id[32];
    uint64_t size;      /* as far as it is known; else about */
    unsigned base_count;
    uint8_t  bases[DXUP_LACK_BASES_MAX][32]; /* which are there, and may be like it */
} dxup_lacking;

/* old: a snapshot that s has, where bases come from; NULL: there is none. */
dxup_lack *dxup_lack_open(dxup_store *s, const uint8_t root[32], const uint8_t *old);
void       dxup_lack_close(dxup_lack *l);
/* The next object that is neither there nor asked for; *none: there is none now. *ticket is for
   dxup_lack_take() or dxup_lack_return(). */
int  dxup_lack_next(dxup_lack *l, dxup_lacking *out, uint32_t *ticket, bool *none);
/* It has come: it is verified, put into the store, and what it leads to is looked for next. */
int  dxup_lack_take(dxup_lack *l, uint32_t ticket, const uint8_t *bytes, size_t size);
/* It has not: it is lacking as before. */
void dxup_lack_return(dxup_lack *l, uint32_t ticket);
/* Nothing is lacking, nothing is asked for. */
bool dxup_lack_is_done(const dxup_lack *l);

#endif
