/* Finds the part at a path, or the smallest part of a directory that an update has to replace:

       root            Two snapshots are walked in parallel from the root down. While a directory
        ├─ a  same     is equal except for one directory in it, only that one is replaced: here
        ├─ b  differs  root/b/d. Readers see the old one or the new one, as if the whole tree had
        │  ├─ c  same  been replaced; a and b/c are not touched.
        │  └─ d  differs, in more than one entry
        └─ e  same */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "scope.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Do both have this extra with the same bytes, or neither? */
static bool same_extra(const dx_tree_entry *a, const dx_tree_entry *b, int kind)
{
    size_t a_size = 0, b_size = 0;
    const void *in_a = dx_tree_find_extra(a, kind, &a_size);
    const void *in_b = dx_tree_find_extra(b, kind, &b_size);
    if (!in_a || !in_b) return in_a == in_b;
    return a_size == b_size && !memcmp(in_a, in_b, a_size);
}

/* Is the metadata of a directory the same? If not, the directory must be replaced. */
static bool stays(const dx_tree_entry *old, const dx_tree_entry *fresh, const versions_omit *omit)
{
    if (old->type != fresh->type || old->mode != fresh->mode || old->mtime_ns != fresh->mtime_ns)
        return false;
    for (int kind = DX_TREE_SAME; kind <= DX_TREE_DEVICE; kind++)
        if (!same_extra(old, fresh, kind)) return false;
    return omit->owner || same_extra(old, fresh, DX_TREE_OWNER);
}

static bool same_entry(const dx_tree_entry *a, const dx_tree_entry *b)
{
    return versions_link_entries_equal(a, b) && a->extra_size == b->extra_size &&
           (!a->extra_size || !memcmp(a->extra, b->extra, a->extra_size));
}

static bool same_name(const dx_tree_entry *a, const dx_tree_entry *b)
{
    return !dx_tree_compare_names(a->name, a->name_size, b->name, b->name_size);
}

/* Copy an entry with its extras; append its name to the path. */
static void keep(dx_tree_entry *to, uint8_t extras[DX_TREE_EXTRAS_MAX], const dx_tree_entry *e)
{
    assert(e->extra_size <= DX_TREE_EXTRAS_MAX);
    *to = *e;
    if (e->extra_size) memcpy(extras, e->extra, e->extra_size);
    to->extra = extras;
    to->name = to->data = NULL;
    to->name_size = 0;
}

/* Compare two listings. *only: they differ in one entry, a directory in both; it becomes the pair
   of directories in out, and is appended to its path. */
static int compare(versions_scope *out, versions_listing *old_list, versions_listing *fresh_list,
                   bool *only)
{
    dx_tree_entry old, fresh;
    bool old_end = false, end = false;
    unsigned differ = 0;
    *only = false;
    for (;;) {
        int status = versions_listing_next(old_list, &old, &old_end);
        if (!status) status = versions_listing_next(fresh_list, &fresh, &end);
        if (status || old_end != end) return status;
        if (end) break;
        if (!same_name(&old, &fresh)) return PROG_OK;
        if (same_entry(&old, &fresh)) continue;
        size_t size = strlen(out->path);
        if (differ++ || old.type != DX_TREE_DIR || fresh.type != DX_TREE_DIR) return PROG_OK;
        if (size + 1 + fresh.name_size > PROG_PATH_SIZE_MAX) return PROG_OK;
        keep(&out->next_old, out->next_old_extras, &old);
        keep(&out->next, out->next_extras, &fresh);
        memcpy(out->next_name, fresh.name, fresh.name_size);
        out->next_name[fresh.name_size] = 0;
    }
    *only = differ == 1;
    return PROG_OK;
}

/* Descend one level, if possible. */
static int descend(versions_scope *p, versions_store *s, const versions_omit *omit, bool *on)
{
    versions_listing old_list, list;
    *on = false;
    if (!stays(&p->old, &p->entry, omit)) return PROG_OK;
    versions_listing_open(&old_list, s, &p->old);
    versions_listing_open(&list, s, &p->entry);
    int status = compare(p, &old_list, &list, on);
    versions_listing_close(&list);
    versions_listing_close(&old_list);
    if (status || !*on) return status;
    versions_owner_of(&p->entry, omit->numeric, &p->belongs);
    p->folder_mtime_ns = p->entry.mtime_ns;
    keep(&p->old, p->old_extras, &p->next_old);
    keep(&p->entry, p->extras, &p->next);
    size_t size = strlen(p->path);
    if (size) p->path[size++] = '/';
    assert(size + strlen(p->next_name) < sizeof p->path); /* compare() has checked it */
    memcpy(p->path + size, p->next_name, strlen(p->next_name) + 1);
    return PROG_OK;
}

/* Does any file below have several hard links? Recursion is limited by the depth. */
static int find_names(versions_store *s, const dx_tree_entry *dir, unsigned depth, bool *found)
{
    dx_tree_entry e;
    versions_listing l;
    size_t size;
    bool end = false;
    int status;
    *found = depth > PROG_DEPTH_MAX;
    versions_listing_open(&l, s, dir);
    while (!(status = versions_listing_next(&l, &e, &end)) && !end && !*found) {
        *found = dx_tree_find_extra(&e, DX_TREE_SAME, &size) != NULL;
        if (!*found && e.type == DX_TREE_DIR) status = find_names(s, &e, depth + 1, found);
        if (status) break;
    }
    versions_listing_close(&l);
    return status;
}

static int find(versions_scope *p, versions_store *s, const versions_omit *omit)
{
    bool on = true, names = false;
    int status = PROG_OK;
    for (unsigned depth = 0; !status && on && depth < PROG_DEPTH_MAX; depth++)
        status = descend(p, s, omit, &on);
    if (!status && *p->path) status = find_names(s, &p->entry, 0, &names);
    if (names) *p->path = 0;
    return status;
}

int versions_scope_find(versions_scope *p, versions_store *s, const uint8_t old_root[32],
                        const uint8_t root[32], const versions_omit *omit)
{
    memset(p, 0, sizeof *p);
    int status = versions_snapshot_root(s, old_root, &p->old, p->old_extras);
    if (!status) status = versions_snapshot_root(s, root, &p->entry, p->extras);
    if (!status) status = find(p, s, omit);
    return status;
}

/* >>path ---------------------------------------------------------------- */
/* Descend to the next name of the path. */
static int step(versions_scope *p, versions_store *s, const char *path, const versions_omit *omit)
{
    const size_t before = strlen(p->path);
    const char *name = path + before + (before ? 1 : 0);
    const size_t size = strcspn(name, "/");
    dx_tree_entry e;
    versions_listing l;
    bool end = false;
    if (p->entry.type != DX_TREE_DIR) return PROG_NOT_FOUND;
    versions_listing_open(&l, s, &p->entry);
    int status = versions_listing_seek(&l, name, size, &e, &end);
    if (!status && (end || dx_tree_compare_names(e.name, e.name_size, name, size)))
        status = PROG_NOT_FOUND;
    if (!status) {
        keep(&p->next, p->next_extras, &e);
        if (e.level == DX_TREE_INLINE && e.type == DX_TREE_FILE)
            memcpy(p->data, e.data, (size_t)e.size);
    }
    versions_listing_close(&l);
    if (status) return status;
    versions_owner_of(&p->entry, omit->numeric, &p->belongs);
    keep(&p->entry, p->extras, &p->next);
    p->entry.data = p->data;
    memcpy(p->path, path, (size_t)(name - path) + size);
    p->path[(size_t)(name - path) + size] = 0;
    return PROG_OK;
}

static int walk_to(versions_scope *p, versions_store *s, const uint8_t root[32], const char *path,
                   const versions_omit *omit)
{
    memset(p, 0, sizeof *p);
    if (strlen(path) > PROG_PATH_SIZE_MAX) return PROG_NOT_FOUND;
    int status = versions_snapshot_root(s, root, &p->entry, p->extras);
    for (unsigned depth = 0; !status && path[strlen(p->path)]; depth++)
        status = depth > PROG_DEPTH_MAX ? PROG_NOT_FOUND : step(p, s, path, omit);
    return status;
}

int versions_scope_at(versions_scope *p, versions_store *s, const uint8_t root[32], const char *path,
                      const versions_omit *omit)
{
    dx_tree_entry top;
    size_t size;
    int status = walk_to(p, s, root, path, omit);
    if (status || !dx_tree_find_extra(&p->entry, DX_TREE_SAME, &size)) return status;
    char *first = prog_alloc(PROG_PATH_SIZE_MAX + 1);
    versions_finder *finder = prog_alloc(sizeof *finder);
    status = versions_snapshot_root(s, root, &top, NULL);
    versions_finder_open(finder, s, &top);
    if (!status) status = versions_finder_link(finder, &p->entry, path, first);
    versions_finder_close(finder);
    if (!status) status = walk_to(p, s, root, first, omit); /* which is not a link, or damaged */
    if (!status) memcpy(p->path, path, strlen(path) + 1);
    free(finder);
    free(first);
    return status;
}

/* >>same ---------------------------------------------------------------- */
static int next_content(versions_listing *l, dx_tree_entry *e, bool *end)
{
    int status;
    do {
        status = versions_listing_next(l, e, end);
    } while (!status && !*end && e->type > DX_TREE_LINK);
    return status;
}

static bool same_dirs(versions_store *s, const dx_tree_entry *a, const dx_tree_entry *b,
                      const versions_omit *omit, unsigned depth);

static bool same_content(versions_store *s, const dx_tree_entry *a, const dx_tree_entry *b,
                         const versions_omit *omit, unsigned depth)
{
    dx_tree_entry timed = *b;
    if (!same_name(a, b) || a->type != b->type || a->mode != b->mode) return false;
    if (a->type == DX_TREE_DIR) return same_dirs(s, a, b, omit, depth + 1);
    if (omit->times || a->type == DX_TREE_LINK) timed.mtime_ns = a->mtime_ns;
    return versions_link_entries_equal(a, &timed);
}

/* Recursion is limited by the depth. */
static bool same_dirs(versions_store *s, const dx_tree_entry *a, const dx_tree_entry *b,
                      const versions_omit *omit, unsigned depth)
{
    dx_tree_entry x, y;
    versions_listing in_a, in_b;
    bool a_end = false, b_end = false, same = true;
    if (a->level == b->level && !memcmp(a->id, b->id, sizeof a->id)) return true;
    if (depth > PROG_DEPTH_MAX) return false;
    versions_listing_open(&in_a, s, a);
    versions_listing_open(&in_b, s, b);
    while (same && !a_end) {
        same = !next_content(&in_a, &x, &a_end) && !next_content(&in_b, &y, &b_end) &&
               a_end == b_end && (a_end || same_content(s, &x, &y, omit, depth));
    }
    versions_listing_close(&in_b);
    versions_listing_close(&in_a);
    return same;
}

bool versions_scope_same(versions_store *s, const uint8_t a[32], const uint8_t b[32],
                         const versions_omit *omit)
{
    dx_tree_entry x, y;
    return !versions_snapshot_root(s, a, &x, NULL) && !versions_snapshot_root(s, b, &y, NULL) &&
           same_dirs(s, &x, &y, omit, 0);
}

int versions_scope_open(const versions_scope *p, const char *top, const char **name)
{
    char step[DX_TREE_NAME_MAX + 1];
    const char *slash;
    assert(*p->path);
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (*name = p->path; fd >= 0 && (slash = strchr(*name, '/')); *name = slash + 1) {
        size_t size = (size_t)(slash - *name);
        assert(size > 0 && size < sizeof step);
        memcpy(step, *name, size);
        step[size] = 0;
        int next = openat(fd, step, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
    }
    return fd;
}

int versions_scope_replace(const versions_scope *p, versions_dest *d, const versions_omit *omit,
                           const versions_inventory *before, bool *refused)
{
    const char *name;
    *refused = false;
    int folder = versions_scope_open(p, d->path, &name);
    if (folder < 0) return prog_fail_errno("%s/%s", d->path, p->path);
    int status = versions_dest_replace_in(
        d, folder, name, omit->times ? NULL : &p->folder_mtime_ns, before, p->path, refused);
    close(folder);
    return status;
}
#endif
