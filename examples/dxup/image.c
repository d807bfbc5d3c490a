/* A file or a directory tree as one deterministic stream of bytes. */
#include "dxup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct walk {
    dxup_sink *sink;
    void      *user;
    size_t     depth, path_size;
    char       path[DXUP_PATH_SIZE_MAX + 1];
    uint8_t    buffer[DXUP_IO_SIZE];
} walk;

int dxup_image_stat(const char *path, int *kind, unsigned *mode)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? DXUP_NOT_FOUND : dxup_fail_errno("%s", path);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return dxup_fail(DXUP_REFUSED, "%s is neither a file nor a directory", path);
    *kind = S_ISDIR(st.st_mode) ? DXUP_TREE : DXUP_FILE;
    *mode = st.st_mode & 0777;
    return DXUP_OK;
}

/* Stream fd to its end; expected is its size, or UINT64_MAX when any size is fine. */
static int send_file(walk *w, int fd, const char *name, uint64_t expected)
{
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read(fd, w->buffer, sizeof w->buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return dxup_fail_errno("%s: reading", name);
        if (n == 0) break;
        total += (uint64_t)n;
        if (total > expected) break;
        int status = w->sink(w->user, w->buffer, (size_t)n);
        if (status) return status;
    }
    if (expected != UINT64_MAX && total != expected)
        return dxup_fail(DXUP_REFUSED, "%s changed while it was read; try again", name);
    return DXUP_OK;
}

static int send_head(walk *w, char type, unsigned mode, uint64_t size)
{
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
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return dxup_fail_errno("%s", w->path);
    int status = fstat(fd, &st) < 0 ? dxup_fail_errno("%s", w->path) : DXUP_OK;
    if (!status && !S_ISREG(st.st_mode))
        status = dxup_fail(DXUP_REFUSED, "%s changed while it was read; try again", w->path);
    if (!status) status = send_head(w, 'f', st.st_mode & 0777, (uint64_t)st.st_size);
    if (!status) status = send_file(w, fd, w->path, (uint64_t)st.st_size);
    close(fd);
    return status;
}

static int send_entry_link(walk *w, int dir, const char *name)
{
    char target[DXUP_PATH_SIZE_MAX + 1];
    ssize_t n = readlinkat(dir, name, target, sizeof target);
    if (n < 0) return dxup_fail_errno("%s", w->path);
    if (n == 0 || n > DXUP_PATH_SIZE_MAX)
        return dxup_fail(DXUP_REFUSED, "%s: the link's target is too long", w->path);
    int status = send_head(w, 'l', 0777, (uint64_t)n);
    return status ? status : w->sink(w->user, target, (size_t)n);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted by their bytes. The caller frees each and the array. */
static int list_names(walk *w, int dir, char ***names, size_t *count)
{
    size_t room = 0;
    int fd = dup(dir);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    *names = NULL;
    *count = 0;
    if (!d) return dxup_fail_errno("%s", w->path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (*count == room) {
            room = room * 2 + 64;
            *names = realloc(*names, room * sizeof **names);
            if (!*names) abort();
        }
        char *copy = dxup_alloc(strlen(e->d_name) + 1);
        (*names)[(*count)++] = strcpy(copy, e->d_name);
    }
    closedir(d);
    if (*count) qsort(*names, *count, sizeof **names, compare_names);
    return DXUP_OK;
}

static int send_dir(walk *w, int dir, unsigned mode);

static int send_entry(walk *w, int dir, const char *name)
{
    struct stat st;
    size_t size = strlen(name), before = w->path_size;
    if (size + 1 > DXUP_PATH_SIZE_MAX - before)
        return dxup_fail(DXUP_REFUSED, "%s/%s: the path is too long", w->path, name);
    if (before) w->path[w->path_size++] = '/';
    memcpy(w->path + w->path_size, name, size + 1);
    w->path_size += size;
    int status = DXUP_OK;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        status = dxup_fail_errno("%s", w->path);
    } else if (S_ISREG(st.st_mode)) {
        status = send_entry_file(w, dir, name);
    } else if (S_ISLNK(st.st_mode)) {
        status = send_entry_link(w, dir, name);
    } else if (S_ISDIR(st.st_mode)) {
        int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        status = child < 0 ? dxup_fail_errno("%s", w->path)
                           : send_dir(w, child, st.st_mode & 0777);
    } else {
        status = dxup_fail(DXUP_REFUSED, "%s is neither file, directory nor link", w->path);
    }
    w->path_size = before;
    w->path[before] = 0;
    return status;
}

/* Depth is limited to DXUP_DEPTH_MAX, so this recursion is too. Closes dir. */
static int send_dir(walk *w, int dir, unsigned mode)
{
    char **names = NULL;
    size_t count = 0;
    int status = w->depth++ >= DXUP_DEPTH_MAX
                     ? dxup_fail(DXUP_REFUSED, "%s: more than %d directories deep", w->path,
                                 DXUP_DEPTH_MAX)
                     : send_head(w, 'd', mode, 0);
    if (!status) status = list_names(w, dir, &names, &count);
    for (size_t i = 0; i < count; i++) {
        if (!status) status = send_entry(w, dir, names[i]);
        free(names[i]);
    }
    free(names);
    close(dir);
    w->depth--;
    return status;
}

static int send_tree(walk *w, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return dxup_fail_errno("stat");
    int status = w->sink(w->user, "DXTREE1\n", 8);
    if (!status) status = send_dir(w, fd, st.st_mode & 0777);
    w->path_size = 0;
    return status ? status : send_head(w, 0, 0, 0);
}

int dxup_image_read(const char *path, int kind, dxup_sink *sink, void *user)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (kind == DXUP_TREE ? O_DIRECTORY : 0));
    if (fd < 0) return dxup_fail_errno("%s", path);
    walk *w = dxup_alloc(sizeof *w);
    *w = (walk){.sink = sink, .user = user};
    int status;
    if (kind == DXUP_TREE) {
        status = send_tree(w, fd); /* closes fd */
    } else {
        status = send_file(w, fd, path, UINT64_MAX);
        close(fd);
    }
    free(w);
    return status;
}
