/* Permission bits for file systems without them (OS_KEEPS_MODES is 0). A tree that is written there
   gets a file `.dxup-modes` at its top, which lists all modes that are not the default, so the tree
   equals the published one when it is read again. The file is not part of the tree. Each line is one
   mode, "0755 bin/tool"; the line of the top itself is "0700 ". */
#ifndef VERSIONS_MODES_H
#define VERSIONS_MODES_H

#include "../common/common.h"
#include "../common/os.h"

#define VERSIONS_MODES_NAME ".dxup-modes"

typedef struct versions_modes {
    char  *text;  /* the content of the file */
    size_t size;  /* bytes of it */
    size_t room;  /* bytes allocated */
    char **lines; /* reading: its lines, sorted by path */
    size_t count; /* of lines */
} versions_modes;

/* Writing: note the mode of an entry, unless it is the default. */
void versions_modes_add(versions_modes *m, const char *path, bool folder, unsigned mode);
/* Write the file into the open folder, if there is anything to keep. */
int  versions_modes_save(const versions_modes *m, int folder);
/* Read the file in the open folder. Without it, every mode is the default. */
int  versions_modes_load(versions_modes *m, int folder);
/* The mode of path, for which the system reports `mode`. If the read-only attribute was changed since,
   it takes precedence. */
unsigned versions_modes_find(const versions_modes *m, const char *path, unsigned mode);
void     versions_modes_free(versions_modes *m);

#endif
