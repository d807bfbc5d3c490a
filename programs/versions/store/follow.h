/* Finds the part of the previous version at the place of a new part: a likely base for a delta. */
#ifndef VERSIONS_FOLLOW_H
#define VERSIONS_FOLLOW_H

#include "../../common/common.h"

typedef struct versions_follow { /* zero: no previous version */
    /* Find the part that holds the byte at offset; *size 0: unknown, it is the only one. */
    int (*find)(void *user, uint64_t offset, const uint8_t **id, uint64_t *start, uint64_t *size);
    void    *user;
    uint64_t whole; /* size of the previous version */
    int64_t  shift; /* old offset minus new offset, at the part noted last */
} versions_follow;

/* The old part at the place of this one; NULL: none, or it cannot be read, which is no error here. */
const uint8_t *versions_follow_base(const versions_follow *f, uint64_t at, uint64_t size);
/* Note a part that the store has already: the parts after it have the same shift. */
void versions_follow_note(versions_follow *f, const uint8_t id[PROG_HASH_SIZE], uint64_t at,
                          uint64_t size);

#endif
