/* See clone.h. */
#include "../common/common.h" /* first: it defines _GNU_SOURCE */

#include "clone.h"

#include "../common/os.h"
#include "../versions/tree/tree.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Does a clone of an unnamed file with one block succeed? */
static bool can_clone(int folder)
{
#if defined(O_TMPFILE)
    static const char block[4096] = {1};
    const int from = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (from < 0) return false;
    const int made = os_write_at(from, 0, block, sizeof block) < 0 ? -1 : versions_clone(folder, from);
    close(from);
    if (made >= 0) close(made);
    return made >= 0;
#else
    (void)folder;
    return false;
#endif
}

static void add(keep_clones *c, const char *path)
{
    assert(c->count < KEEP_CLONE_FOLDERS);
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    if (can_clone(folder)) c->folders[c->count++] = folder;
    else close(folder);
}

void keep_clones_open(keep_clones *c, const char *directory, const char *store)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    c->count = 0;
    if (os_real_path(directory, path, sizeof path) == 0) {
        char *slash = strrchr(path, '/');
        if (slash && slash[1]) {
            slash[slash == path] = 0;
            add(c, path);
        }
    }
    add(c, store);
}

void keep_clones_close(keep_clones *c)
{
    for (size_t i = 0; i < c->count; i++) close(c->folders[i]);
    c->count = 0;
}

void keep_clone_prepare(const char *path)
{
#if defined(SYNC_FILE_RANGE_WRITE)
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                        SYNC_FILE_RANGE_WAIT_AFTER);
    close(fd);
#else
    (void)path;
#endif
}
