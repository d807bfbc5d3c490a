/* Applies the details of a snapshot (details.c) to a directory that has its content. The bytes are
   untrusted. They can change only entries of the directory: names are looked up in it one by one,
   without following links, and a mismatch counts as damage. Hard links are made only between files
   that are already equal. */
#include "details.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct folder {
    int              fd;
    size_t           path_size; /* size of its path in settling.path */
    dx_tree_entry    entry;
    versions_belongs belongs;
    const uint8_t *xattrs;   /* from an object, or NULL */
} folder;

typedef struct settling {
    versions_details_apply_desc *desc;
    const uint8_t *at;       /* the remaining bytes */
    size_t         left;
    folder         folders[PROG_DEPTH_MAX + 1];
    unsigned       depth;    /* number of open directories */
    char           path[PROG_PATH_SIZE_MAX + 1]; /* of the current entry */
    char           parent[PROG_PATH_SIZE_MAX + 1];
    uint8_t        buffers[2][PROG_IO_SIZE];
} settling;

static int malformed(const settling *s, const char *why)
{
    return prog_fail(PROG_DAMAGED, "the details of the tree are malformed: %s%s%s", s->path,
                     s->path[0] ? ": " : "", why);
}

/* Take the bytes of an object that follows the entry, or NULL. */
static int read_object(settling *s, const dx_tree_entry *e, int kind, const uint8_t **out)
{
    uint32_t size = 0;
    *out = NULL;
    if (!dx_tree_read_object(e, kind, &size)) return PROG_OK;
    if (s->left < size) return malformed(s, "they are truncated");
    *out = s->at;
    s->at += size;
    s->left -= size;
    return PROG_OK;
}

/* >>content ------------------------------------------------------------ */
static int read_all(int fd, uint64_t at, uint8_t *out, size_t size)
{
    return prog_read_at(fd, at, out, size) == (int64_t)size ? 0 : -1;
}

/* Punch a hole after checking that its bytes are zeros. */
static int punch(settling *s, int fd, uint64_t start, uint64_t size)
{
    for (uint64_t at = start, left = size; left;) {
        size_t n = left < PROG_IO_SIZE ? (size_t)left : PROG_IO_SIZE;
        if (read_all(fd, at, s->buffers[0], n) < 0) return prog_fail_errno("%s", s->path);
        for (size_t i = 0; i < n; i++)
            if (s->buffers[0][i]) return malformed(s, "content in a hole");
        at += n;
        left -= n;
    }
#if defined(FALLOC_FL_PUNCH_HOLE)
    const int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (fallocate(fd, how, (off_t)start, (off_t)size) == 0) return PROG_OK;
#else
    errno = ENOTSUP;
#endif
    versions_report_add(s->desc->report, s->path, "", "a hole", errno);
    return PROG_OK;
}

static int punch_all(settling *s, int fd, const dx_tree_entry *e, const uint8_t *object)
{
    dx_tree_holes holes;
    size_t size = 0;
    uint64_t start, hole;
    uint32_t large = 0;
    struct stat st;
    int got = 0, status = PROG_OK;
    const uint8_t *bytes = dx_tree_find_extra(e, DX_TREE_HOLES, &size);
    if (object && dx_tree_read_object(e, DX_TREE_HOLES, &large)) {
        bytes = object;
        size = large;
    }
    if (!bytes || s->desc->omit.sparse || s->desc->live) return PROG_OK;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != e->size)
        return malformed(s, "a file of another size");
    dx_tree_holes_begin(&holes, bytes, size, e->size);
    while (!status && (got = dx_tree_holes_next(&holes, &start, &hole)) == 1)
        status = punch(s, fd, start, hole);
    return !status && got < 0 ? malformed(s, dx_tree_error_name(got)) : status;
}

/* Do both files have the same bytes? */
static bool same_bytes(settling *s, int a, int b, uint64_t size)
{
    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PROG_IO_SIZE ? (size_t)(size - at) : PROG_IO_SIZE;
        if (read_all(a, at, s->buffers[0], n) < 0 || read_all(b, at, s->buffers[1], n) < 0 ||
            memcmp(s->buffers[0], s->buffers[1], n) != 0)
            return false;
        at += n;
    }
    return true;
}

/* >>entries ------------------------------------------------------------ */
/* Open an entry even if its mode forbids it. */
static int open_entry(int dir, const char *name, int flags)
{
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(dir, name, flags);
    if (fd >= 0 || errno != EACCES) return fd;
    if (fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    return openat(dir, name, flags);
}

/* Does the file at `made` equal the one of that name, so that it may replace it? */
static bool may_replace(settling *s, int dir, const char *made, const char *name, int type)
{
    struct stat a, b;
    if (fstatat(dir, made, &a, AT_SYMLINK_NOFOLLOW) < 0) return false;
    if (fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) < 0) return type > DX_TREE_LINK;
    if ((a.st_mode & S_IFMT) != (b.st_mode & S_IFMT) || a.st_size != b.st_size) return false;
    if (type == DX_TREE_LINK) {
        ssize_t x = readlinkat(dir, made, (char *)s->buffers[0], PROG_IO_SIZE);
        ssize_t y = readlinkat(dir, name, (char *)s->buffers[1], PROG_IO_SIZE);
        return x >= 0 && x == y && !memcmp(s->buffers[0], s->buffers[1], (size_t)x);
    }
    if (type != DX_TREE_FILE) return true;
    int x = open_entry(dir, made, O_RDONLY), y = open_entry(dir, name, O_RDONLY);
    bool same = x >= 0 && y >= 0 && same_bytes(s, x, y, (uint64_t)a.st_size);
    if (x >= 0 && fchmod(x, a.st_mode & 07777) < 0) same = false; /* opening may have changed it */
    if (x >= 0) close(x);
    if (y >= 0) close(y);
    return same;
}

/* Is a special file of this type left out? Devices also with omit->owner, because they grant rights. */
static bool leaves_out(const versions_omit *omit, int type)
{
    if (type <= DX_TREE_LINK) return false;
    return omit->specials || (type != DX_TREE_FIFO && omit->owner);
}

/* Make the name a hard link to an earlier file of the directory. */
static int make_same(settling *s, const folder *in, const char *name, const dx_tree_entry *e)
{
    static const char made[] = ".dxup-link";
    char first[PROG_PATH_SIZE_MAX + 1];
    int status = versions_link_path(e, s->path, first);
    if (status || s->desc->omit.hard_links || s->desc->live) return status;
    if (leaves_out(&s->desc->omit, e->type)) return PROG_OK;
    if (versions_link_make(s->folders[0].fd, first, in->fd, made) < 0) {
        versions_report_add(s->desc->report, s->parent, name,
                            "a hard link, which becomes a file of its own", errno);
        return PROG_OK;
    }
    if (may_replace(s, in->fd, made, name, e->type))
        status = renameat(in->fd, made, in->fd, name) < 0 ? prog_fail_errno("%s", s->path) : 0;
    else status = malformed(s, "another name of another file");
    if (status) unlinkat(in->fd, made, 0);
    return status;
}

static int make_special(settling *s, const folder *in, const char *name, const dx_tree_entry *e,
                        const uint8_t *xattrs)
{
    if (leaves_out(&s->desc->omit, e->type)) {
        if (!s->desc->omit.specials)
            versions_report_leave_out(s->desc->report, VERSIONS_LEFT_DEVICE);
        return PROG_OK;
    }
    if (s->desc->live) return PROG_OK;
    const versions_target target = {.fd = -1, .dir = in->fd, .name = name, .path = s->parent,
                                .xattrs = xattrs};
    versions_belongs belongs = in->belongs;
    versions_owner_of(e, s->desc->omit.numeric, &belongs);
    int error = versions_make_special(in->fd, name, e);
    if (error == EEXIST) return malformed(s, "something else is there");
    if (error) versions_report_add(s->desc->report, s->parent, name, "a fifo or a device", error);
    return error ? PROG_OK
                 : versions_apply(s->desc->report, NULL, &s->desc->omit, &target, e, &belongs);
}

static int settle_file(settling *s, const folder *in, const char *name, const dx_tree_entry *e,
                       const uint8_t *holes, const uint8_t *xattrs)
{
    const versions_target named = {.fd = -1, .dir = in->fd, .name = name, .path = s->parent,
                               .xattrs = xattrs};
    versions_target target = named;
    versions_belongs belongs = in->belongs;
    versions_owner_of(e, s->desc->omit.numeric, &belongs);
    if (e->type == DX_TREE_LINK)
        return versions_apply(s->desc->report, NULL, &s->desc->omit, &target, e, &belongs);
    if (!versions_apply_needed(&s->desc->omit, e, &belongs)) {
        versions_apply_count(s->desc->report, &s->desc->omit, e, &belongs);
        return versions_apply_time(&s->desc->omit, &target, e);
    }
    size_t size;
    bool sparse = holes || dx_tree_find_extra(e, DX_TREE_HOLES, &size);
    target.fd = open_entry(in->fd, name, sparse && !s->desc->live ? O_RDWR : O_RDONLY);
    if (target.fd < 0) return prog_fail_errno("%s", s->path);
    int status = punch_all(s, target.fd, e, holes);
    if (!status)
        status = versions_apply(s->desc->report, NULL, &s->desc->omit, &target, e, &belongs);
    close(target.fd);
    return status;
}

/* >>walk --------------------------------------------------------------- */
static int leave_folder(settling *s)
{
    folder *f = &s->folders[--s->depth];
    char path[PROG_PATH_SIZE_MAX + 1];
    memcpy(path, s->path, f->path_size);
    path[f->path_size] = 0;
    const versions_target target = {.fd = f->fd, .dir = -1, .name = "", .path = path,
                                .xattrs = f->xattrs};
    int status = versions_apply(s->desc->report, NULL, &s->desc->omit, &target, &f->entry,
                                &f->belongs);
    struct stat st;
    if (!s->depth && fstat(f->fd, &st) == 0) s->desc->mode = st.st_mode & 07777;
    close(f->fd);
    return status;
}

/* Takes ownership of fd, which is closed with the folder. */
static int enter(settling *s, int fd, const dx_tree_entry *e, const uint8_t *xattrs)
{
    if (fd < 0) return prog_fail_errno("%s", s->path);
    assert(s->depth <= PROG_DEPTH_MAX);
    folder *f = &s->folders[s->depth];
    *f = (folder){.fd = fd, .path_size = strlen(s->path), .entry = *e, .xattrs = xattrs};
    if (s->depth) f->belongs = f[-1].belongs;
    versions_owner_of(e, s->desc->omit.numeric, &f->belongs);
    s->depth++;
    /* allow changes in it; leave_folder() sets the mode */
    if (!s->desc->live && fchmod(fd, 0700) < 0) return prog_fail_errno("%s", s->path);
    return PROG_OK;
}

static int settle_entry(settling *s, unsigned depth, const dx_tree_entry *e)
{
    char name[DX_TREE_NAME_MAX + 1];
    const uint8_t *holes, *xattrs;
    size_t size;
    int status = PROG_OK;
    while (!status && s->depth > depth) status = leave_folder(s);
    if (status) return status;
    if (!depth || depth != s->depth) return malformed(s, "an impossible depth");
    const folder *in = &s->folders[depth - 1];
    size_t at = in->path_size;
    if (at + 1 + e->name_size > PROG_PATH_SIZE_MAX) return malformed(s, "a path is too long");
    memcpy(name, e->name, e->name_size);
    name[e->name_size] = 0;
    memcpy(s->parent, s->path, at);
    s->parent[at] = 0;
    if (at) s->path[at++] = '/';
    memcpy(s->path + at, name, e->name_size + 1u);
    status = read_object(s, e, DX_TREE_HOLES, &holes);
    if (!status) status = read_object(s, e, DX_TREE_XATTRS, &xattrs);
    if (status) return status;
    if (dx_tree_find_extra(e, DX_TREE_SAME, &size)) return make_same(s, in, name, e);
    if (e->type > DX_TREE_LINK) return make_special(s, in, name, e, xattrs);
    if (e->type != DX_TREE_DIR) return settle_file(s, in, name, e, holes, xattrs);
    if (depth > PROG_DEPTH_MAX) return malformed(s, "too deep");
    return enter(s, open_entry(in->fd, name, O_RDONLY | O_DIRECTORY), e, xattrs);
}

static int settle_root(settling *s)
{
    dx_tree_entry root;
    const uint8_t *xattrs;
    if (s->left < DX_TREE_SNAPSHOT_SIZE) return malformed(s, "they are truncated");
    size_t size = DX_TREE_SNAPSHOT_SIZE + (s->at[14] | (size_t)s->at[15] << 8);
    if (s->left < size) return malformed(s, "they are truncated");
    int error = dx_tree_read_snapshot(s->at, size, &root);
    if (error) return malformed(s, dx_tree_error_name(error));
    s->at += size;
    s->left -= size;
    int status = read_object(s, &root, DX_TREE_XATTRS, &xattrs);
    return status ? status : enter(s, fcntl(s->desc->folder, F_DUPFD_CLOEXEC, 0), &root, xattrs);
}

int versions_details_apply(versions_details_apply_desc *desc)
{
    settling *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->desc = desc;
    s->at = desc->bytes;
    s->left = desc->size;
    const mode_t mask = umask(0); /* create fifos and devices with their recorded modes */
    int status = settle_root(s);
    while (!status && s->left) {
        dx_tree_entry e;
        if (s->left < 2) status = malformed(s, "they are truncated");
        if (status) break;
        unsigned depth = s->at[0] | (unsigned)s->at[1] << 8;
        int got = dx_tree_read_entry(s->at + 2, s->left - 2, &e);
        if (got < 0) status = malformed(s, dx_tree_error_name(got));
        if (got < 0) break;
        s->at += 2 + (size_t)got;
        s->left -= 2 + (size_t)got;
        status = settle_entry(s, depth, &e);
    }
    while (s->depth) {
        int left = leave_folder(s);
        if (!status) status = left;
    }
    umask(mask);
    free(s);
    return status;
}
#endif
