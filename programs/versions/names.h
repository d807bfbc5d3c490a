/* The names in a directory, sorted by their bytes. */
#ifndef VERSIONS_NAMES_H
#define VERSIONS_NAMES_H

#include <stddef.h>

typedef struct versions_names {
    char **list;
    size_t count;
    char  *text; /* zero-terminated names, back to back */
    size_t size, room;
} versions_names;

/* Read the names in an open folder. 0, or -1 and errno; free them in both cases. */
int  versions_names_read(versions_names *n, int folder);
void versions_names_free(versions_names *n);

#endif
