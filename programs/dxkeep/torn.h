/* The names of files that changed while they were captured, for `log`. They are hints: the store's
   versions have the number of such files, and a crash between commit and note loses only the names. */
#ifndef DXKEEP_TORN_H
#define DXKEEP_TORN_H

#include "../common/common.h"

enum { KEEP_TORN_MAX = 16 }; /* names per version; further ones are not stored */

typedef struct keep_torn {
    char  *names[KEEP_TORN_MAX];
    size_t count;
} keep_torn;

/* Duplicates are ignored. */
void keep_torn_add(keep_torn *t, const char *path);
void keep_torn_clear(keep_torn *t);
/* Store the names for a version in the store. */
int  keep_torn_save(const keep_torn *t, const char *store, const char *name, uint64_t version);

/* Read all stored names, NULL: none. The caller frees them. */
char *keep_torn_open(const char *store, const char *name, size_t *size);
/* Replace *t by the names for one version. */
void keep_torn_load(keep_torn *t, const char *notes, size_t size, uint64_t version);

#endif
