/* A cache of four windows of 64 KiB; the least recently used one is replaced. See window.h. */
#include "window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void prog_windows_open(prog_windows *w, uint64_t size,
                       int (*read)(void *user, uint64_t offset, void *out, size_t size), void *user)
{
    assert(read);
    memset(w, 0, sizeof *w);
    w->read = read;
    w->user = user;
    w->size = size;
    for (int i = 0; i < PROG_WINDOW_COUNT; i++) w->windows[i].bytes = prog_alloc(PROG_WINDOW_SIZE);
}

void prog_windows_close(prog_windows *w)
{
    for (int i = 0; i < PROG_WINDOW_COUNT; i++) free(w->windows[i].bytes);
    memset(w, 0, sizeof *w);
}

/* Find the window that starts at this offset, or read it into the least recently used one. */
static int find(prog_windows *w, uint64_t start, struct prog_window **out)
{
    struct prog_window *oldest = &w->windows[0];
    assert(start < w->size && start % PROG_WINDOW_SIZE == 0);
    for (int i = 0; i < PROG_WINDOW_COUNT; i++) {
        struct prog_window *it = &w->windows[i];
        if (it->size && it->start == start) {
            it->used = ++w->clock;
            *out = it;
            return PROG_OK;
        }
        if (it->used < oldest->used) oldest = it;
    }
    size_t size = w->size - start < PROG_WINDOW_SIZE ? (size_t)(w->size - start) : PROG_WINDOW_SIZE;
    assert(size > 0);
    oldest->size = 0; /* marked empty in case reading fails */
    int status = w->read(w->user, start, oldest->bytes, size);
    if (status) return status;
    oldest->start = start;
    oldest->size = size;
    oldest->used = ++w->clock;
    *out = oldest;
    return PROG_OK;
}

int prog_windows_read(prog_windows *w, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    assert(offset <= w->size && size <= w->size - offset);
    while (size) {
        struct prog_window *it;
        uint64_t start = offset - offset % PROG_WINDOW_SIZE;
        if (offset == start && size >= PROG_WINDOW_SIZE) { /* whole windows: read directly */
            size_t whole = size - size % PROG_WINDOW_SIZE;
            int status = w->read(w->user, offset, to, whole);
            if (status) return status;
            to += whole;
            offset += whole;
            size -= whole;
            continue;
        }
        int status = find(w, start, &it);
        if (status) return status;
        size_t at = (size_t)(offset - start);
        assert(at < it->size);
        size_t part = it->size - at < size ? it->size - at : size;
        memcpy(to, it->bytes + at, part);
        to += part;
        offset += part;
        size -= part;
    }
    return PROG_OK;
}
