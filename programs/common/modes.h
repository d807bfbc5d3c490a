/* Permission bits where the file system has none (OS_KEEPS_MODES is 0): a tree that was written
   there has a file `.dxup-modes` at its top with those that the system does not give by itself,
   so that the tree, read again, is the one that was published. It is no part of the tree. A line
   each, "0755 bin/tool"; the top itself is "0700 ". */
#ifndef DXUP_MODES_H
#define DXUP_MODES_H

#include "common.h"
#include "os.h"

#define DXUP_MODES_NAME ".dxup-modes"

typedef struct dxup_modes {
    char  *text; /* the file's content, while one is written */
    size_t size, room, count;
    char **lines; /* sorted by path, while one is read */
} dxup_modes;

void     dxup_modes_add(dxup_modes *m, const char *path, bool folder, unsigned mode);
/* Into the open folder, if there is anything to be kept. */
int      dxup_modes_save(const dxup_modes *m, int folder);
/* From the open folder; none there: none kept. */
int      dxup_modes_load(dxup_modes *m, int folder);
/* The mode of path, for which the system says `mode`. A read-only attribute that was set or
   taken away since counts. */
unsigned dxup_modes_find(const dxup_modes *m, const char *path, unsigned mode);
void     dxup_modes_free(dxup_modes *m);

#endif
