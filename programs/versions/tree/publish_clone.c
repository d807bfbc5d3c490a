/* Clones of large files: while the caller waits for the read (desc.read), a file is not read but cloned, which
   takes as long for a large file as for a small one where the file system shares extents (btrfs, xfs). The
   clone is an unnamed file outside of the tree, so a crash leaves nothing behind. Its event stands for the
   chunks, which are read when it is the event's turn:

       walk    AN_OPEN  A_LATER                      A_FILE ...
       retire  AN_OPEN  A_CHUNK A_CHUNK ... A_CHUNK  A_FILE ...      from a ring of its own */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/fs.h>
#endif

enum { CLONES_MAX = 256 }; /* open files */

int versions_clone(int folder, int fd)
{
#if defined(O_TMPFILE) && defined(FICLONE)
    const int made = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (made < 0 || ioctl(made, FICLONE, fd) == 0) return made;
    const int error = errno;
    close(made);
    errno = error;
    return -1;
#else
    (void)folder;
    (void)fd;
    errno = ENOTSUP;
    return -1;
#endif
}

static int clone_anywhere(const publisher *p, int fd)
{
    int made = -1;
    for (size_t i = 0; made < 0 && i < p->live->clone_count; i++)
        made = versions_clone(p->live->clone_folders[i], fd);
    return made;
}

int64_t versions_publish_clone(publisher *p, int fd, uint64_t size)
{
    if (!p->live || !p->live->read || size < VERSIONS_CLONE_MIN || p->clone_count == CLONES_MAX) return -1;
    const int made = clone_anywhere(p, fd);
    if (made < 0) return -1; /* it is read */
    if (!p->clones) p->clones = prog_alloc(CLONES_MAX * sizeof *p->clones);
    assert(p->clone_count < CLONES_MAX);
    versions_clone_file *c = &p->clones[p->clone_count++];
    *c = (versions_clone_file){.fd = made, .size = size, .follows = p->follows, .old = p->old,
                               .map_size = p->extras.map_size};
    c->old.name = c->old.data = c->old.extra = NULL; /* are in a listing that goes on */
    if (c->map_size) c->map = memcpy(prog_alloc(c->map_size), p->extras.map, c->map_size);
    c->path = strcpy(prog_alloc(p->path_size + 1), p->path);
    p->out->cloned++;
    return (int64_t)p->clone_count - 1;
}

void versions_publish_drop_clone(versions_clone_file *c)
{
    if (c->fd >= 0) close(c->fd);
    free(c->map);
    free(c->path);
    *c = (versions_clone_file){.fd = -1};
}

void versions_publish_drop_clones(publisher *p)
{
    for (size_t i = 0; i < p->clone_count; i++) versions_publish_drop_clone(&p->clones[i]);
    free(p->clones);
    p->clones = NULL;
    p->clone_count = 0;
}
#endif
