/* The names of files that changed while they were captured, for `log`. They are a hint beside the
   store's versions, which have their number: a kill between commit and note loses names only. */
#ifndef DXKEEP_TORN_H
#define DXKEEP_TORN_H

#include "../common/common.h"

enum { KEEP_TORN_MAX = 16 }; /* names of a version; of more nothing is noted */

typedef struct keep_torn {
    char  *names[KEEP_TORN_MAX];
    size_t count;
} keep_torn;

/* Each name once. */
void keep_torn_add(keep_torn *t, const char *path);
void keep_torn_clear(keep_torn *t);
/* Note them for a version of that name in the store. */
int  keep_torn_save(const keep_torn *t, const char *store, const char *name, uint64_t version);

/* All that is noted; NULL: nothing. free() ends it. */
char *keep_torn_open(const char *store, const char *name, size_t *size);
/* Replace *t by the names of a version. */
void keep_torn_load(keep_torn *t, const char *notes, size_t size, uint64_t version);

#endif
