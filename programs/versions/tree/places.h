/* Where the chunks of an old file are, by their ids. What was inserted or removed moves everything
   after it: a missing chunk is like the old one between the same neighbours, wherever that is. */
#ifndef VERSIONS_PLACES_H
#define VERSIONS_PLACES_H

#include "tree.h"

typedef struct versions_places versions_places;

/* file: of type, level, id and size, whose lists s finds. NULL: they cannot be read, or are too many. */
versions_places *versions_places_open(versions_store *s, const dx_tree_entry *file);
void             versions_places_close(versions_places *p); /* may be NULL */
/* False: it is not in the file, or there more than once. */
bool versions_places_find(const versions_places *p, const uint8_t id[32], uint64_t *start);

#endif
