/* Finds the most similar of the objects added so far: bases of deltas when a store is repacked. */
#ifndef VERSIONS_SIMILAR_H
#define VERSIONS_SIMILAR_H

#include "../../common/common.h"

enum { VERSIONS_SIMILAR_MAX = 4 };

typedef struct versions_similar versions_similar;

/* Takes 9 MB for any number of objects: old ones are forgotten. */
versions_similar *versions_similar_open(void);
void              versions_similar_close(versions_similar *s);
/* Find the most similar objects, best first. Returns how many. Reads each byte once. */
unsigned          versions_similar_find(versions_similar *s, const void *bytes, size_t size,
                                        uint8_t ids[VERSIONS_SIMILAR_MAX][PROG_HASH_SIZE]);
/* Add the object searched last. */
void versions_similar_add(versions_similar *s, const uint8_t id[PROG_HASH_SIZE]);

#endif
