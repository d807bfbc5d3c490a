/* Which of the objects so far is most like another? For deltas when a store is packed. */
#ifndef VERSIONS_SIMILAR_H
#define VERSIONS_SIMILAR_H

#include "../../common/common.h"

enum { VERSIONS_SIMILAR_MAX = 4 };

typedef struct versions_similar versions_similar;

/* Takes 9 MB, however many objects there are: old ones are forgotten. */
versions_similar *versions_similar_open(void);
void              versions_similar_close(versions_similar *s);
/* The most like it, best first; returns how many. Looks at every byte once. */
unsigned          versions_similar_find(versions_similar *s, const void *bytes, size_t size,
                                        uint8_t ids[VERSIONS_SIMILAR_MAX][PROG_HASH_SIZE]);
/* What was looked for last is there from now on. */
void versions_similar_add(versions_similar *s, const uint8_t id[PROG_HASH_SIZE]);

#endif
