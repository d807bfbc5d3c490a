/* Reads a file or a directory tree as one deterministic stream of bytes.

   A file is its content. A tree is "DXTREE1\n", then for each entry a head of 16 bytes, its path
   and its content, depth first and sorted by bytes, and a head of zeros. Fifos, devices and sockets
   are not part of it. Entries are opened relative to the descriptor of their directory, and links are
   never followed, so concurrent changes cannot lead outside of the tree. */
#include "image.h"

#include "modes.h"
#include "names.h"
#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct walk {
    versions_sink *sink;
    void          *user;
    size_t         depth;     /* of the open directories */
    versions_modes modes;     /* modes that the system cannot store */
    char           path[PROG_PATH_SIZE_MAX + 1]; /* of the entry, relative to the top */
    size_t         path_size;
    uint8_t        buffer[PROG_IO_SIZE];
} walk;

int versions_image_stat(const char *path, int *kind, unsigned *mode)
{
    os_info info;
    if (os_stat(path, true, &info) < 0)
        return errno == ENOENT ? PROG_NOT_FOUND : prog_fail_errno("%s", path);
    if (info.kind != OS_FILE && info.kind != OS_FOLDER)
        return prog_fail(PROG_REFUSED, "%s is neither a file nor a directory", path);
    *kind = info.kind == OS_FOLDER ? PROG_TREE : PROG_FILE;
    *mode = info.mode;
    return PROG_OK;
}

/* Stream fd to its end. expected: its size; UINT64_MAX: any. */
static int send_file(walk *w, int fd, const char *name, uint64_t expected)
{
    assert(fd >= 0);
    uint64_t total = 0;
    for (;;) {
        int64_t n = os_read(fd, w->buffer, sizeof w->buffer);
        if (n < 0) return prog_fail_errno("%s: cannot read", name);
        if (n == 0) break;
        total += (uint64_t)n;
        if (total > expected) break;
        int status = w->sink(w->user, w->buffer, (size_t)n);
        if (status) return status;
    }
    if (expected != UINT64_MAX && total != expected)
        return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", name);
    return PROG_OK;
}

/* The head of an entry, and its path. */
static int send_head(walk *w, char type, unsigned mode, uint64_t size)
{
    assert(w->path_size <= PROG_PATH_SIZE_MAX && mode <= 0777);
    uint8_t head[16] = {0};
    head[0] = (uint8_t)type;
    head[2] = (uint8_t)(mode & 0xff);
    head[3] = (uint8_t)(mode >> 8);
    head[4] = (uint8_t)(w->path_size & 0xff);
    head[5] = (uint8_t)(w->path_size >> 8);
    for (int i = 0; i < 8; i++) head[8 + i] = (uint8_t)(size >> (8 * i) & 0xff);
    int status = w->sink(w->user, head, sizeof head);
    return status || !w->path_size ? status : w->sink(w->user, w->path, w->path_size);
}

static int send_entry_file(walk *w, int dir, const char *name)
{
    os_info info;
    int fd = os_open_in(dir, name, OS_FILE);
    if (fd < 0) return prog_fail_errno("%s", w->path);
    int status = os_info_of(fd, &info) < 0 ? prog_fail_errno("%s", w->path) : PROG_OK;
    if (!status && info.kind != OS_FILE)
        status = prog_fail(PROG_REFUSED, "%s changed while it was read; try again", w->path);
    if (!status)
        status = send_head(w, 'f', versions_modes_find(&w->modes, w->path, info.mode), info.size);
    if (!status) status = send_file(w, fd, w->path, info.size);
    os_close(fd);
    return status;
}

static int send_entry_link(walk *w, int dir, const char *name)
{
    char target[PROG_PATH_SIZE_MAX + 1];
    if (!OS_HAS_LINKS)
        return prog_fail(PROG_REFUSED, "%s is a link or a junction, which dxup cannot read on "
                                       "this system",
                         w->path);
    int64_t n = os_read_link_in(dir, name, target, sizeof target);
    if (n < 0) return prog_fail_errno("%s", w->path);
    if (n == 0 || n > PROG_PATH_SIZE_MAX)
        return prog_fail(PROG_REFUSED, "%s: the link's target is too long", w->path);
    int status = send_head(w, 'l', 0777, (uint64_t)n);
    return status ? status : w->sink(w->user, target, (size_t)n);
}

static int send_dir(walk *w, int dir, unsigned mode);

/* An entry of any type. On entry and return w->path is the path of its directory. */
static int send_entry(walk *w, int dir, const char *name)
{
    os_info info;
    size_t size = strlen(name), before = w->path_size;
    if (!OS_KEEPS_MODES && !before && !strcmp(name, VERSIONS_MODES_NAME)) return PROG_OK;
    if (size + 1 > PROG_PATH_SIZE_MAX - before)
        return prog_fail(PROG_REFUSED, "%s/%s: the path is too long", w->path, name);
    assert(size > 0 && !w->path[before]);
    if (before) w->path[w->path_size++] = '/';
    memcpy(w->path + w->path_size, name, size + 1);
    w->path_size += size;
    int status = PROG_OK;
    if (os_stat_in(dir, name, &info) < 0) {
        status = prog_fail_errno("%s", w->path);
    } else if (info.kind == OS_FILE) {
        status = send_entry_file(w, dir, name);
    } else if (info.kind == OS_LINK) {
        status = send_entry_link(w, dir, name);
    } else if (info.kind == OS_FOLDER) {
        int child = os_open_in(dir, name, OS_FOLDER);
        status = child < 0 ? prog_fail_errno("%s", w->path) : send_dir(w, child, info.mode);
    } /* fifos, devices and sockets have no content */
    w->path_size = before;
    w->path[before] = 0;
    return status;
}

/* A directory and everything below it. Recursion is limited by PROG_DEPTH_MAX. Closes dir. */
static int send_dir(walk *w, int dir, unsigned mode)
{
    versions_names n = {0};
    int status = w->depth++ >= PROG_DEPTH_MAX
                     ? prog_fail(PROG_REFUSED, "%s: more than %d directories deep", w->path,
                                 PROG_DEPTH_MAX)
                     : send_head(w, 'd', versions_modes_find(&w->modes, w->path, mode), 0);
    if (!status && versions_names_read(&n, dir) < 0)
        status = prog_fail_errno("%s: cannot list", w->path_size ? w->path : ".");
    for (size_t i = 0; i < n.count && !status; i++) status = send_entry(w, dir, n.list[i]);
    versions_names_free(&n);
    os_close(dir);
    w->depth--;
    assert(w->depth <= PROG_DEPTH_MAX);
    return status;
}

/* The whole stream of a tree. Closes fd. */
static int send_tree(walk *w, int fd)
{
    os_info info;
    if (os_info_of(fd, &info) < 0) {
        os_close(fd);
        return prog_fail_errno("the directory cannot be read");
    }
    int status = OS_KEEPS_MODES ? PROG_OK : versions_modes_load(&w->modes, fd);
    if (!status) status = w->sink(w->user, "DXTREE1\n", 8);
    if (status) os_close(fd);
    else status = send_dir(w, fd, info.mode);
    w->path_size = 0;
    return status ? status : send_head(w, 0, 0, 0);
}

int versions_image_read(const char *path, int kind, versions_sink *sink, void *user)
{
    int fd = kind == PROG_TREE ? os_open_folder(path) : os_open(path);
    if (fd < 0) return prog_fail_errno("%s", path);
    assert(kind == PROG_FILE || kind == PROG_TREE);
    walk *w = prog_alloc(sizeof *w);
    *w = (walk){.sink = sink, .user = user};
    int status;
    if (kind == PROG_TREE) {
        status = send_tree(w, fd); /* closes fd */
    } else {
        status = send_file(w, fd, path, UINT64_MAX);
        os_close(fd);
    }
    versions_modes_free(&w->modes);
    free(w);
    return status;
}
