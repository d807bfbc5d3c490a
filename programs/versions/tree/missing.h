/* What a store lacks of a snapshot, found from its root down while it comes. */
#ifndef VERSIONS_MISSING_H
#define VERSIONS_MISSING_H

#include "tree.h"

enum { VERSIONS_MISSING_BASES_MAX = 2 }; /* of one object */

typedef struct versions_missing versions_missing;

typedef struct versions_missing_object { /* an object that is not there */
    uint8_t  id[32];
    uint64_t size;      /* as far as it is known; else about */
    unsigned base_count;
    uint8_t  bases[VERSIONS_MISSING_BASES_MAX][32]; /* which are there, and may be like it */
} versions_missing_object;

/* old: a snapshot that s has, where bases come from; NULL: there is none. A snapshot beyond the
   limits is refused (PROG_REFUSED) when its root has come, one with more than its root declares
   (PROG_DAMAGED) when that is found. */
versions_missing *versions_missing_open(versions_store *s, const uint8_t root[32],
                                        const uint8_t *old, const versions_limits *limits);
void              versions_missing_close(versions_missing *l);
/* The next object that is neither there nor asked for; *none: there is none now. *ticket is for
   versions_missing_take() or versions_missing_return(). */
int versions_missing_next(versions_missing *l, versions_missing_object *out, uint32_t *ticket,
                          bool *none);
/* It has come: it is verified, put into the store, and what it leads to is looked for next. */
int  versions_missing_take(versions_missing *l, uint32_t ticket, const uint8_t *bytes, size_t size);
/* It has not: it is lacking as before. */
void versions_missing_return(versions_missing *l, uint32_t ticket);
/* Nothing is lacking, nothing is asked for. */
bool versions_missing_is_done(const versions_missing *l);

#endif
