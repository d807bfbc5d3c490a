/* Walks only to the changed paths, in parallel with the last version. In each directory on the way
   the entries of the last version and the changed names are merged:

       last version   a     b     c/       e        a and b did not change: they are copied
       changed              .     c/x  d            c is entered, d is new, e stays
       directory            b     c/   d   e        removed ones (a, had it changed) have no entry */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct changes { /* a range of desc.changed: the paths below p->path */
    const char *const *paths;
    size_t             count;
} changes;

static int send_changes(publisher *p, int fd, const dx_tree_entry *old,
                        const versions_found *folder, changes c);

static int send_old(publisher *p, const dx_tree_entry *e)
{
    uint8_t bytes[DX_TREE_ENTRY_MAX];
    size_t size = 0;
    int status = versions_publish_need(p, DX_TREE_ENTRY_MAX);
    if (status) return status;
    int error = dx_tree_write_entry(e, bytes, sizeof bytes, &size);
    if (error) return prog_fail(PROG_REFUSED, "%s: %s", p->path, dx_tree_error_name(error));
    versions_publish_event(p, AN_OLD, 0, "", bytes, size, NULL)->size = size;
    return PROG_OK;
}

/* Send a directory that is new, or whose own metadata changed. */
static int send_whole(publisher *p, int fd, const versions_found *folder)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    memcpy(path, p->path, p->path_size + 1);
    int status = versions_publish_dir(
        p, versions_ahead_open(&p->ahead, fd, path, p->depth, p->live->seen, p->live->rules, 1), folder);
    versions_ahead_close(&p->ahead);
    return status;
}

/* Send the directory at p->path, which is `name` in dir. old: its old entry, or NULL. */
static int send_changed_dir(publisher *p, int dir, const char *name, const dx_tree_entry *old,
                            const versions_found *folder, changes c)
{
    const bool itself = strlen(c.paths[0]) == p->path_size;
    if (p->depth >= PROG_DEPTH_MAX) return versions_publish_far(p, "");
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && versions_publish_leaves_out(p, errno)) return PROG_OK;
    if (fd < 0) return prog_fail_errno("%s", p->path);
    if (itself || !old || old->type != DX_TREE_DIR) return send_whole(p, fd, folder);
    int status = send_changes(p, fd, old, folder, c);
    close(fd);
    return status;
}

/* Send one name that changed, or that leads to changed paths. */
static int send_changed(publisher *p, int dir, const char *name, const dx_tree_entry *old,
                        const versions_found *folder, changes c)
{
    struct stat st;
    versions_found f = {.name = name, .now_ns = prog_time_ns()};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return versions_publish_leaves_out(p, errno) ? PROG_OK : prog_fail_errno("%s", p->path);
    versions_found_move(&f, &st);
    if (!versions_filter_takes(p->live->rules, p->path, S_ISDIR(f.mode))) return PROG_OK;
    if (S_ISDIR(f.mode)) return send_changed_dir(p, dir, name, old, folder, c);
    f.seen = S_ISREG(f.mode) && !p->live->read && versions_stat_cache_find(p->live->seen, &f.file);
    if (versions_publish_is_late(p)) return PROG_REFUSED;
    p->follows = old && old->type == DX_TREE_FILE && old->level <= DX_TREE_LEVELS_MAX;
    if (p->follows) p->old = *old;
    const int status = versions_publish_content(p, dir, &f, folder);
    p->follows = false;
    return status;
}

/* The number of paths that share the next component of the first one, which is copied. */
static size_t next_name(const publisher *p, changes c, char name[DX_TREE_NAME_MAX + 1])
{
    const size_t skip = p->path_size ? p->path_size + 1 : 0;
    const char *first = c.paths[0] + skip;
    const size_t size = strcspn(first, "/");
    size_t count = 1;
    assert(size && size <= DX_TREE_NAME_MAX);
    memcpy(name, first, size);
    name[size] = 0;
    while (count < c.count) {
        const char *other = c.paths[count] + skip;
        if (strcspn(other, "/") != size || memcmp(other, first, size) != 0) break;
        count++;
    }
    return count;
}

static int send_merged(publisher *p, int fd, versions_listing *l, const versions_found *here,
                       changes c)
{
    char name[DX_TREE_NAME_MAX + 1];
    dx_tree_entry e;
    bool has = false, end = false;
    const size_t before = p->path_size;
    int status = PROG_OK;
    while (!status) {
        if (!has && !end) status = versions_listing_next(l, &e, &end);
        has = !end;
        if (status || (!has && !c.count)) break;
        const size_t count = c.count ? next_name(p, c, name) : 0;
        int order = !has ? 1 : -1;
        if (has && count) order = dx_tree_compare_names(e.name, e.name_size, name, strlen(name));
        if (order < 0) {
            status = send_old(p, &e);
            has = false;
            continue;
        }
        if (versions_publish_enter(p, name))
            status = send_changed(p, fd, name, order ? NULL : &e, here, (changes){c.paths, count});
        else status = versions_publish_far(p, name);
        versions_publish_leave(p, before);
        c.paths += count;
        c.count -= count;
        has = has && order;
    }
    return status;
}

/* Send a directory of which only entries changed: it is open as fd, and old is its old entry. It
   keeps its owner and attributes: if these change, its own path is listed. folder: its parent. */
static int send_changes(publisher *p, int fd, const dx_tree_entry *old,
                        const versions_found *folder, changes c)
{
    struct stat st;
    versions_found self = {.name = ""};
    dx_tree_owner owner;
    versions_listing listing;
    assert(p->depth < PROG_DEPTH_MAX);
    if (fstat(fd, &st) < 0) return prog_fail_errno("%s", p->path);
    versions_found_move(&self, &st);
    const bool own = dx_tree_read_owner(old, &owner);
    if (!p->omit.owner && (own || folder) &&
        ((own ? owner.user : folder->user) != self.user ||
         (own ? owner.group : folder->group) != self.group))
        p->out->needs_all = true;
    int status = versions_publish_need(p, DX_TREE_NAME_MAX + DX_TREE_EXTRAS_MAX);
    if (status) return status;
    p->link = 0;
    p->extras.size = old->extra_size;
    if (old->extra_size) memcpy(p->extras.bytes, old->extra, old->extra_size);
    versions_publish_event(p, A_DIR, DX_TREE_DIR, versions_publish_last_name(p), NULL, 0, &self);
    p->depth++;
    versions_listing_open(&listing, p->store, old);
    status = send_merged(p, fd, &listing, &self, c);
    versions_listing_close(&listing);
    p->depth--;
    if (!status) status = versions_publish_need(p, 0);
    if (!status) versions_publish_event(p, A_DIR_END, DX_TREE_DIR, "", NULL, 0, NULL);
    return status;
}

int versions_publish_changes(publisher *p, int fd, const versions_tree_publish_desc *o)
{
    dx_tree_entry old;
    uint8_t extras[DX_TREE_EXTRAS_MAX];
    assert(p->live && o->last && o->changed && o->changed_count);
    int status = versions_snapshot_root(p->store, o->last, &old, extras);
    if (!status) status = send_changes(p, fd, &old, NULL, (changes){o->changed, o->changed_count});
    p->out->needs_all |= p->out->linked;
    return status;
}
#endif
