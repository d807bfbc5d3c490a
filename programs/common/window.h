/* A read cache for a large file: a few windows of 64 KiB. Applying a patch reads the base in pieces
   of 1 KiB; without the cache each would be a system call. */
#ifndef WINDOW_H
#define WINDOW_H

#include "common.h"

enum {
    PROG_WINDOW_SIZE  = 64 << 10, /* bytes per window; a window starts at a multiple of it */
    PROG_WINDOW_COUNT = 4         /* enough that matches in several places do not evict each other */
};

typedef struct prog_windows {
    /* Fill out with size bytes from offset, or return a status of common.h. */
    int    (*read)(void *user, uint64_t offset, void *out, size_t size);
    void    *user;
    uint64_t size; /* bytes of the file; reads beyond it are not allowed */
    struct prog_window {
        uint64_t start; /* of the window in the file */
        size_t   size;  /* bytes read into it; 0: empty */
        uint64_t used;  /* the clock of its last use */
        uint8_t *bytes; /* PROG_WINDOW_SIZE */
    } windows[PROG_WINDOW_COUNT];
    uint64_t clock; /* counts uses: the least recently used window is replaced */
} prog_windows;

void prog_windows_open(prog_windows *w, uint64_t size,
                       int (*read)(void *user, uint64_t offset, void *out, size_t size),
                       void *user);
/* Free the windows. *w may be all zero. */
void prog_windows_close(prog_windows *w);
/* Like w->read, with fewer calls. Cached bytes are not read again, so the file must not change. */
int  prog_windows_read(prog_windows *w, uint64_t offset, void *out, size_t size);

#endif
