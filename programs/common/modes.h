/* Permission bits where the file system has none (OS_KEEPS_MODES is 0). A tree that is written
   there gets a file `.dxup-modes` at its top with all modes that are not the default, so that the
   tree, read again, equals the published one. The file is not part of the tree. Each line is one
   mode, "0755 bin/tool"; that of the top itself is "0700 ". */
#ifndef PROG_MODES_H
#define PROG_MODES_H

#include "common.h"
#include "os.h"

#define PROG_MODES_NAME ".dxup-modes"

typedef struct prog_modes {
    char  *text;  /* the content of the file */
    size_t size;  /* bytes of it */
    size_t room;  /* bytes allocated */
    char **lines; /* reading: its lines, sorted by path */
    size_t count; /* of lines */
} prog_modes;

/* Writing: note the mode of an entry, unless it is the default. */
void     prog_modes_add(prog_modes *m, const char *path, bool folder, unsigned mode);
/* Write the file into the open folder, if there is anything to keep. */
int      prog_modes_save(const prog_modes *m, int folder);
/* Read the file of the open folder. Without one, every mode is the default. */
int      prog_modes_load(prog_modes *m, int folder);
/* The mode of path, for which the system reports `mode`. A read-only attribute that was set or
   cleared since takes precedence. */
unsigned prog_modes_find(const prog_modes *m, const char *path, unsigned mode);
void     prog_modes_free(prog_modes *m);

#endif
