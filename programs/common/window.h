/* Small reads of a large file, answered from a few windows of it: a patch asks for its base in
   pieces of 1 KiB, and each would be a system call. */
#ifndef WINDOW_H
#define WINDOW_H

#include "common.h"

enum {
    DXUP_WINDOW_SIZE  = 64 << 10, /* bytes of one; it starts at a multiple of that */
    DXUP_WINDOW_COUNT = 4         /* so that matches in several places do not take turns */
};

typedef struct dxup_windows {
    /* Fill out with size bytes from offset on, or return a status of common.h. */
    int    (*read)(void *user, uint64_t offset, void *out, size_t size);
    void    *user;
    uint64_t size; /* bytes of the file; nothing behind them is asked for */
    struct dxup_window {
        uint64_t start; /* of its bytes in the file */
        size_t   size;  /* bytes of it that were read; 0: it is empty */
        uint64_t used;  /* the clock when it was last asked */
        uint8_t *bytes; /* DXUP_WINDOW_SIZE */
    } windows[DXUP_WINDOW_COUNT];
    uint64_t clock;
} dxup_windows;

void dxup_windows_open(dxup_windows *w, uint64_t size,
                       int (*read)(void *user, uint64_t offset, void *out, size_t size),
                       void *user);
/* Also of one that is all zero. */
void dxup_windows_close(dxup_windows *w);
/* What w->read gives, with fewer calls. Bytes that are in a window are not read again, so the
   file must not change. */
int  dxup_windows_read(dxup_windows *w, uint64_t offset, void *out, size_t size);

#endif
