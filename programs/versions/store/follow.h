/* Where was this part in the version before? That is what it may be a delta of. */
#ifndef VERSIONS_FOLLOW_H
#define VERSIONS_FOLLOW_H

#include "../../common/common.h"

typedef struct versions_follow { /* zero: there is no version before */
    /* The part that holds the byte at offset; *size 0: unknown, it is the only one. */
    int (*find)(void *user, uint64_t offset, const uint8_t **id, uint64_t *start, uint64_t *size);
    void    *user;
    uint64_t whole; /* bytes of the version before */
    int64_t  shift; /* where its bytes were, less where they are now: of what was noted last */
} versions_follow;

/* What was where this one is; NULL: nothing, or it cannot be read, which is no failure here. */
const uint8_t *versions_follow_base(const versions_follow *f, uint64_t at, uint64_t size);
/* A part that is in the store already: those behind it stand to theirs as it does. */
void versions_follow_note(versions_follow *f, const uint8_t id[PROG_HASH_SIZE], uint64_t at,
                          uint64_t size);

#endif
