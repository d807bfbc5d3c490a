/* Hard links in a snapshot: finds the entry of the first name, and links to it without following a
   symbolic link on the way. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

static int no_such_name(const char *path)
{
    return prog_fail(PROG_DAMAGED, "a snapshot in the store is malformed: there is no %s", path);
}

/* >>find --------------------------------------------------------------- */
void versions_finder_open(versions_finder *f, versions_store *s, const dx_tree_entry *root)
{
    memset(f, 0, sizeof *f);
    f->store = s;
    f->root = *root;
}

static void close_dir(versions_finder *f)
{
    if (f->open) versions_listing_close(&f->listing);
    f->open = f->has = false;
}

void versions_finder_close(versions_finder *f) { close_dir(f); }

/* Advance in the open directory to that name. */
static int find_name(versions_finder *f, const char *path, const char *name, size_t size)
{
    assert(f->open);
    for (;;) {
        bool end = false;
        int status = f->has ? PROG_OK : versions_listing_next(&f->listing, &f->entry, &end);
        if (status) return status;
        f->has = !end;
        if (end) return no_such_name(path);
        int order = dx_tree_compare_names(f->entry.name, f->entry.name_size, name, size);
        if (order == 0) return PROG_OK;
        if (order > 0) return no_such_name(path);
        f->has = false;
    }
}

/* Open the directory whose path is the first `size` bytes of path, from the root. */
static int open_dir(versions_finder *f, const char *path, size_t size)
{
    dx_tree_entry dir = f->root;
    size_t at = 0;
    int status = PROG_OK;
    close_dir(f);
    while (!status && at < size) {
        const char *slash = memchr(path + at, '/', size - at);
        size_t n = slash ? (size_t)(slash - path) - at : size - at;
        versions_listing_open(&f->listing, f->store, &dir);
        f->open = true;
        status = find_name(f, path, path + at, n);
        dir = f->entry;
        close_dir(f);
        if (!status && dir.type != DX_TREE_DIR) status = no_such_name(path);
        at += n + 1;
    }
    if (status) return status;
    versions_listing_open(&f->listing, f->store, &dir);
    f->open = true;
    memcpy(f->dir, path, size);
    f->dir[size] = 0;
    return PROG_OK;
}

int versions_finder_find(versions_finder *f, const char *path, dx_tree_entry *out)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t size = slash ? (size_t)(slash - path) : 0;
    int status = PROG_OK;
    bool here = f->open && strlen(f->dir) == size && !memcmp(f->dir, path, size);
    /* entries before the current one are not read again */
    if (here && f->has) {
        here = dx_tree_compare_names(f->entry.name, f->entry.name_size, name, strlen(name)) <= 0;
    } else if (f->open) {
        here = false;
    }
    if (!here) status = open_dir(f, path, size);
    if (!status) status = find_name(f, path, name, strlen(name));
    if (status) close_dir(f);
    else *out = f->entry;
    return status;
}

bool versions_link_entries_equal(const dx_tree_entry *a, const dx_tree_entry *b)
{
    if (a->type != b->type || a->mode != b->mode || a->mtime_ns != b->mtime_ns ||
        a->size != b->size || a->level != b->level)
        return false;
    if (a->level != DX_TREE_INLINE) return !memcmp(a->id, b->id, sizeof a->id);
    return !a->size || !memcmp(a->data, b->data, (size_t)a->size);
}

int versions_link_path(const dx_tree_entry *e, const char *name, char path[PROG_PATH_SIZE_MAX + 1])
{
    const void *down = NULL;
    unsigned up = 0;
    size_t size = 0, kept = strlen(name);
    bool has = dx_tree_read_same(e, &up, &down, &size);
    assert(has && kept && kept <= PROG_PATH_SIZE_MAX);
    (void)has;
    for (up++; up; up--) { /* drop this name and the last `up` directories */
        if (!kept) return no_such_name("directory above the root");
        while (kept && name[kept - 1] != '/') kept--;
        if (kept) kept--;
    }
    if (kept + 1 + size > PROG_PATH_SIZE_MAX) return no_such_name("path of that length");
    memcpy(path, name, kept);
    if (kept) path[kept++] = '/';
    memcpy(path + kept, down, size);
    path[kept + size] = 0;
    if (versions_compare_paths(path, name) >= 0) return no_such_name("name that comes first");
    return PROG_OK;
}

int versions_finder_link(versions_finder *f, const dx_tree_entry *e, const char *name,
                         char path[PROG_PATH_SIZE_MAX + 1])
{
    dx_tree_entry first;
    size_t size;
    int status = versions_link_path(e, name, path);
    if (status) return status;
    status = versions_finder_find(f, path, &first);
    if (status) return status;
    if (dx_tree_find_extra(&first, DX_TREE_SAME, &size) || !versions_link_entries_equal(&first, e))
        return prog_fail(PROG_DAMAGED, "a snapshot in the store is malformed: %s is another file",
                         path);
    return PROG_OK;
}

/* >>link --------------------------------------------------------------- */
/* Open the directory that holds the path. Returns -1 and errno on error; *path becomes
   the last name. */
static int open_parent(int root, const char **path)
{
    char part[DX_TREE_NAME_MAX + 1];
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    for (const char *slash; at >= 0 && (slash = strchr(*path, '/')) != NULL; *path = slash + 1) {
        size_t size = (size_t)(slash - *path);
        assert(size <= DX_TREE_NAME_MAX);
        memcpy(part, *path, size);
        part[size] = 0;
        int next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(at);
        errno = error;
        at = next;
    }
    return at;
}

void versions_link_owner(int root, const char *path, versions_belongs *out)
{
    struct stat st;
    int at = open_parent(root, &path);
    out->known = at >= 0 && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (at >= 0) close(at);
    if (!out->known) return;
    out->user = st.st_uid;
    out->group = st.st_gid;
}

int versions_link_make(int root, const char *path, int dir, const char *name)
{
    struct stat st;
    int at = open_parent(root, &path);
    if (at < 0) return -1;
    int bad = fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW);
    if (!bad && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        bad = -1;
    }
    if (!bad) bad = linkat(at, path, dir, name, 0);
    int error = errno;
    close(at);
    errno = error;
    return bad;
}
#endif
