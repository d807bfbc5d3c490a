/* Where a capture may clone large files while the program is stopped, instead of reading them. */
#ifndef DXKEEP_CLONE_H
#define DXKEEP_CLONE_H

#include <stddef.h>

enum { KEEP_CLONE_FOLDERS = 2 };

typedef struct keep_clones {
    int    folders[KEEP_CLONE_FOLDERS]; /* open, in which unnamed files can be made and cloned */
    size_t count;
} keep_clones;

/* The parent of the directory and the store: in the directory itself, a new file would be noticed as a
   change. Only those whose file system clones. */
void keep_clones_open(keep_clones *c, const char *directory, const char *store);
void keep_clones_close(keep_clones *c);
/* Write the file's changes to the disk: a clone waits for that, which is better done before the stop. */
void keep_clone_prepare(const char *path);

#endif
