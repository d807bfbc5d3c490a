/* Which of the objects so far is most like another? For deltas when a store is packed. */
#ifndef DXUP_SIMILAR_H
#define DXUP_SIMILAR_H

#include "../common.h"

enum { DXUP_SIMILAR_MAX = 4 };

typedef struct dxup_similar dxup_similar;

/* Takes 9 MB, however many objects there are: old ones are forgotten. */
dxup_similar *dxup_similar_open(void);
void          dxup_similar_close(dxup_similar *s);
/* The most like it, best first; returns how many. Looks at every byte once. */
unsigned      dxup_similar_find(dxup_similar *s, const void *bytes, size_t size,
                                uint8_t ids[DXUP_SIMILAR_MAX][PROG_HASH_SIZE]);
/* What was looked for last is there from now on. */
void          dxup_similar_add(dxup_similar *s, const uint8_t id[PROG_HASH_SIZE]);

#endif
