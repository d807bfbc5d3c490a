/* Permission bits where the file system has none (OS_KEEPS_MODES is 0). A tree that is written
   there gets a file `.dxup-modes` at its top with all modes that are not the default, so that the
   tree, read again, equals the published one. The file is not part of the tree. Each line is one
   mode, "0755 bin/tool"; that of the top itself is "0700 ". */
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
/* Read the file of the open folder. Without one, every mode is the default. */
int  versions_modes_load(versions_modes *m, int folder);
/* The mode of path, for which the system reports `mode`. A read-only attribute that was set or
   cleared since takes precedence. */
unsigned versions_modes_find(const versions_modes *m, const char *path, unsigned mode);
void     versions_modes_free(versions_modes *m);

#endif
