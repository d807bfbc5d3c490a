/* Reads the metadata of an entry besides mode and time: owner, holes, extended attributes, device
   numbers. No link is followed: a name is looked up in the open directory, through /proc/self/fd if
   there is no system call for that. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#endif

enum { ACCOUNT_SIZE_MAX = 65536 }; /* for one line of passwd or group */

void versions_metadata_open(versions_metadata *x, versions_store *s, const versions_omit *omit,
                            versions_losses *lost)
{
    memset(x, 0, sizeof *x);
    x->store = s;
    x->omit = omit;
    x->lost = lost;
    x->map = prog_alloc(DX_TREE_EXTRA_SIZE_MAX);
    x->xattrs = prog_alloc(DX_TREE_EXTRA_SIZE_MAX);
    x->names = prog_alloc(VERSIONS_XATTR_NAMES_MAX);
    x->value = prog_alloc(DX_TREE_XATTR_VALUE_MAX);
}

void versions_metadata_close(versions_metadata *x)
{
    free(x->map);
    free(x->xattrs);
    free(x->names);
    free(x->value);
}

/* Store bytes in the entry if they are few, otherwise as an object. Oversized ones were
   removed before. */
static int put_large(versions_metadata *x, int kind, const uint8_t *bytes, size_t size)
{
    uint8_t object[DX_TREE_ID_SIZE + 4];
    assert(size <= DX_TREE_EXTRA_SIZE_MAX);
    int error, status;
    if (!size) return PROG_OK;
    if (size <= DX_TREE_EXTRA_INLINE_MAX) {
        error = dx_tree_put_extra(x->bytes, sizeof x->bytes, &x->size, kind, bytes, size);
    } else {
        status = versions_object_put(x->store, bytes, size, object);
        if (status) return status;
        for (int i = 0; i < 4; i++) object[DX_TREE_ID_SIZE + i] = (uint8_t)(size >> (8 * i) & 0xff);
        error = dx_tree_put_extra(x->bytes, sizeof x->bytes, &x->size, kind + 1, object,
                                  sizeof object);
    }
    assert(!error);
    (void)error;
    return PROG_OK;
}

/* >>owner -------------------------------------------------------------- */
/* Skip a name that the format does not allow: the numeric id is stored as well. */
static void keep_name(versions_account *a, uint32_t id, const char *name)
{
    size_t size = name ? strlen(name) : 0;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < ' ' || strchr("\x7f:/", name[i])) size = 0;
    if (size > DX_TREE_NAME_MAX) size = 0;
    a->known = true;
    a->id = id;
    a->size = (uint8_t)size;
    if (size) memcpy(a->name, name, size);
}

static void find_user(versions_account *a, uid_t id)
{
    struct passwd entry, *found = NULL;
    if (a->known && a->id == id) return;
    char *text = prog_alloc(ACCOUNT_SIZE_MAX);
    if (getpwuid_r(id, &entry, text, ACCOUNT_SIZE_MAX, &found) != 0) found = NULL;
    keep_name(a, id, found ? found->pw_name : NULL);
    free(text);
}

static void find_group(versions_account *a, gid_t id)
{
    struct group entry, *found = NULL;
    if (a->known && a->id == id) return;
    char *text = prog_alloc(ACCOUNT_SIZE_MAX);
    if (getgrgid_r(id, &entry, text, ACCOUNT_SIZE_MAX, &found) != 0) found = NULL;
    keep_name(a, id, found ? found->gr_name : NULL);
    free(text);
}

static void read_owner(versions_metadata *x, const versions_found *f, const versions_found *folder)
{
    if (x->omit->owner) return;
    if (folder && folder->user == f->user && folder->group == f->group) return;
    dx_tree_owner owner = {.user = f->user, .group = f->group};
    if (!x->omit->numeric) {
        find_user(&x->user, f->user);
        find_group(&x->group, f->group);
        owner.user_name = x->user.name;
        owner.user_name_size = x->user.size;
        owner.group_name = x->group.name;
        owner.group_name_size = x->group.size;
    }
    int error = dx_tree_put_owner(x->bytes, sizeof x->bytes, &x->size, &owner);
    assert(!error);
    (void)error;
}

/* >>holes -------------------------------------------------------------- */
/* Map the holes of the open file, as far as they fit. */
static void map_holes(versions_metadata *x, int fd, uint64_t size)
{
#if defined(SEEK_HOLE)
    uint64_t at = 0, end = 0; /* at: the position reached; end: of the previous hole */
    while (at < size) {
        off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);
        if (hole < 0 || (uint64_t)hole >= size) return;
        off_t data = lseek(fd, hole, SEEK_DATA);
        if (data < 0 && errno != ENXIO) return; /* ENXIO: only a hole remains */
        at = data < 0 || (uint64_t)data > size ? size : (uint64_t)data;
        if (at <= (uint64_t)hole) return; /* it changes meanwhile: publish_read.c detects that */
        if (dx_tree_put_hole(x->map, DX_TREE_EXTRA_SIZE_MAX, &x->map_size, (uint64_t)hole - end,
                             at - (uint64_t)hole)) {
            x->lost->holes++;
            return;
        }
        end = at;
    }
#else
    (void)fd;
    (void)size;
    x->lost->holes++;
#endif
}

static int read_holes(versions_metadata *x, int dir, const versions_found *f)
{
    if (x->omit->sparse || !f->thin || f->file.size <= DX_TREE_INLINE_MAX) return PROG_OK;
    int fd = openat(dir, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return PROG_OK; /* publish_read.c reports the error when it opens the file */
    map_holes(x, fd, f->file.size);
    close(fd);
    return put_large(x, DX_TREE_HOLES, x->map, x->map_size);
}

/* >>attributes --------------------------------------------------------- */
#ifdef __linux__
/* Labels of security modules belong to the system, not to the file. */
static bool is_kept(const char *name)
{
    return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
           !strcmp(name, "security.capability") || !strcmp(name, "system.posix_acl_access") ||
           !strcmp(name, "system.posix_acl_default");
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the attributes to keep, sorted. The caller frees the array. */
static const char **sort_names(const versions_metadata *x, size_t size, size_t *count)
{
    size_t total = 0;
    for (size_t at = 0; at < size; at += strlen(x->names + at) + 1) total++;
    const char **list = prog_alloc((total + 1) * sizeof *list);
    *count = 0;
    for (size_t at = 0; at < size; at += strlen(x->names + at) + 1)
        if (is_kept(x->names + at)) list[(*count)++] = x->names + at;
    qsort(list, *count, sizeof *list, compare_text);
    return list;
}

static int read_xattrs(versions_metadata *x, int dir, const versions_found *f)
{
    char path[64 + DX_TREE_NAME_MAX];
    size_t used = 0, count = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, f->name);
    ssize_t size = llistxattr(path, x->names, VERSIONS_XATTR_NAMES_MAX);
    if (size < 0 && errno != ENOTSUP) x->lost->xattrs++;
    x->plain = size == 0 || (size < 0 && errno == ENOTSUP);
    if (size <= 0) return PROG_OK;
    const char **names = sort_names(x, (size_t)size, &count);
    x->plain = count == 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t n = lgetxattr(path, names[i], x->value, DX_TREE_XATTR_VALUE_MAX);
        size_t name_size = strlen(names[i]);
        if (n < 0 && errno == ENODATA) continue; /* removed meanwhile */
        dx_tree_xattr attribute = {.name = names[i], .value = x->value,
                                   .name_size = (uint8_t)name_size, .value_size = (uint32_t)n};
        if (n < 0 || name_size > DX_TREE_NAME_MAX ||
            dx_tree_put_xattr(x->xattrs, DX_TREE_EXTRA_SIZE_MAX, &used, &attribute))
            x->lost->xattrs++;
    }
    free(names);
    return put_large(x, DX_TREE_XATTRS, x->xattrs, used);
}
#else
static int read_xattrs(versions_metadata *x, int dir, const versions_found *f)
{
    (void)dir;
    (void)f;
    x->plain = true;
    return PROG_OK;
}
#endif

/* >>entry -------------------------------------------------------------- */
int versions_metadata_read(versions_metadata *x, int dir, const versions_found *f,
                           const versions_found *folder)
{
    x->size = 0;
    x->map_size = 0;
    x->plain = f->seen && f->file.plain;
    read_owner(x, f, folder);
    int status = read_holes(x, dir, f);
    if (!status && !x->omit->xattrs && !x->plain) status = read_xattrs(x, dir, f);
    if (!status && (S_ISCHR(f->mode) || S_ISBLK(f->mode))) {
        int error = dx_tree_put_device(x->bytes, sizeof x->bytes, &x->size,
                                       (uint32_t)major(f->device), (uint32_t)minor(f->device));
        assert(!error);
        (void)error;
    }
    return status;
}

int versions_metadata_read_link(versions_metadata *x, const char *path, const char *first)
{
    size_t common = 0;
    unsigned up = 0;
    for (size_t i = 0; path[i] == first[i] && path[i]; i++)
        if (path[i] == '/') common = i + 1;
    for (size_t i = common; path[i]; i++) up += path[i] == '/';
    x->size = 0;
    x->map_size = 0;
    x->plain = false;
    int error = dx_tree_put_same(x->bytes, sizeof x->bytes, &x->size, up, first + common,
                                 strlen(first + common));
    assert(!error); /* paths have at most PROG_PATH_SIZE_MAX bytes */
    return error ? PROG_SYSTEM : PROG_OK;
}
#endif
