/* Permission bits where the file system has none (OS_KEEPS_MODES is 0). A tree that is written
   there gets a file `.dxup-modes` at its top with all modes that are not the default, so that the
   tree, read again, equals the published one. The file is not part of the tree. Each line is one
   mode, "0755 bin/tool"; that of the top itself is "0700 ". */
#ifndef DXUP_MODES_H
#define DXUP_MODES_H

#include "common.h"
#include "os.h"

#define DXUP_MODES_NAME ".dxup-modes"

typedef struct dxup_modes {
    char  *text;  /* the content of the file */
    size_t size;  /* bytes of it */
    size_t room;  /* bytes allocated */
    char **lines; /* reading: its lines, sorted by path */
    size_t count; /* of lines */
} dxup_modes;

/* Writing: note the mode of an entry, unless it is the default. */
void     dxup_modes_add(dxup_modes *m, const char *path, bool folder, unsigned mode);
/* Write the file into the open folder, if there is anything to keep. */
int      dxup_modes_save(const dxup_modes *m, int folder);
/* Read the file of the open folder. Without one, every mode is the default. */
int      dxup_modes_load(dxup_modes *m, int folder);
/* The mode of path, for which the system reports `mode`. A read-only attribute that was set or
   cleared since takes precedence. */
unsigned dxup_modes_find(const dxup_modes *m, const char *path, unsigned mode);
void     dxup_modes_free(dxup_modes *m);

#endif
