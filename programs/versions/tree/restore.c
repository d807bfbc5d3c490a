/* Writes a snapshot as a directory. One thread creates directories and links, relative to the
   descriptors of their parents; all cores write files, each with its own store handle. Links are
   never followed: if one is swapped in meanwhile, the restore fails, and nothing is written outside
   the staging directory. apply.c restores the metadata of each entry. A file with several hard
   links is written under its first name, and linked when it is complete. A file that the old
   directory has unchanged is hard-linked instead of being written. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"
#include "scope.h"
#include "scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOBS = 32, JOB_FILES = 64, JOB_BYTES = 1 << 20, THREADS_MAX = 16 };

typedef struct folder { /* a directory being filled */
    int              fd;
    unsigned         users;
    unsigned         writers; /* threads that write files of it */
    dx_tree_entry    entry; /* owns its extras */
    versions_belongs belongs;
    char            *path;
    bool             top;     /* the staging directory itself */
    bool             has_old; /* there is an old directory of that name: */
    int              old_fd;
    dx_tree_entry    old_at;  /* the current entry of its listing, which advances with the walk */
    bool             old_end;
    versions_listing old;
} folder;

typedef struct file {
    dx_tree_entry    entry; /* owns its extras; name and data are here: */
    versions_belongs belongs;
    bool             unchanged; /* the old directory has the same file */
    char             name[DX_TREE_NAME_MAX + 1];
    uint8_t          data[DX_TREE_INLINE_MAX];
} file;

typedef struct job {
    folder *folder;
    size_t  count;
    file    files[JOB_FILES];
} job;

typedef struct restorer {
    versions_store  *store;
    const char      *store_path;
    versions_omit    omit;
    uint64_t         entries_max; /* 0: no limit */
    uint64_t         entries;     /* visited by the walk; the root's sum excludes fifos */
    versions_report *report;
    int              root_fd;
    unsigned         root_mode; /* as recorded */
    uid_t            user;      /* of this process */
    gid_t            group;
    versions_stat_cache *seen;  /* or NULL */
    versions_finder  finder;    /* for hard links */
    const versions_scope *part; /* NULL: the whole tree is restored */
    const uint8_t   *root;      /* of that */
    int              status; /* the first failure */
    uint64_t         bytes;  /* bytes written */
    job             *jobs;   /* a ring */
    unsigned         head, count;
    unsigned         busy;   /* jobs being executed */
    unsigned         next;   /* the job being filled, by the walk only */
    bool             stopping, failed; /* failed: the walk's copy of status */
    uint64_t         filling_bytes;
    unsigned         filling; /* directories in progress */
    pthread_mutex_t  lock;
    pthread_cond_t   work, room;
    size_t           path_size, depth; /* of the walk, for messages */
    char             path[PROG_PATH_SIZE_MAX + 1];
} restorer;

/* A copy of the extras, because their piece is overwritten. */
static const void *own_extras(const dx_tree_entry *e)
{
    if (!e->extra_size) return NULL;
    void *copy = prog_alloc(e->extra_size);
    memcpy(copy, e->extra, e->extra_size);
    return copy;
}

static void free_extras(const dx_tree_entry *e) { free((void *)(uintptr_t)e->extra); }

/* >>files, on any thread --------------------------------------------------- */
/* The holes of a file while it is written front to back. */
typedef struct gaps {
    dx_tree_holes holes;
    uint8_t      *memory;
    uint64_t      start, size;   /* of the next hole; start UINT64_MAX: none */
    uint8_t       zeros[32];     /* id of the last chunk that consisted of zeros, */
    uint64_t      zeros_size;    /* and its size */
} gaps;

static int next_gap(gaps *g)
{
    int got = dx_tree_holes_next(&g->holes, &g->start, &g->size);
    if (got != 1) g->start = UINT64_MAX;
    if (got < 0)
        return prog_fail(PROG_DAMAGED, "holes in the store are malformed: %s",
                         dx_tree_error_name(got));
    return PROG_OK;
}

static int open_gaps(gaps *g, versions_store *s, const dx_tree_entry *e, bool sparse)
{
    const uint8_t *bytes;
    size_t size = 0;
    uint32_t large;
    memset(g, 0, sizeof *g);
    g->start = UINT64_MAX;
    if (!sparse || !e->extra_size) return PROG_OK;
    if (dx_tree_read_object(e, DX_TREE_HOLES, &large))
        g->memory = prog_alloc(DX_TREE_EXTRA_SIZE_MAX);
    int status = versions_extra_read(s, e, DX_TREE_HOLES, g->memory, &bytes, &size);
    if (status || !size) return status;
    dx_tree_holes_begin(&g->holes, bytes, size, e->size);
    return next_gap(g);
}

/* Write size bytes at `at`, except in holes, where they must be zeros. */
static int write_around(gaps *g, int fd, const char *name, const uint8_t *bytes, uint64_t at,
                        uint64_t size)
{
    int status = PROG_OK;
    while (!status && size) {
        uint64_t n = size;
        bool hole = at >= g->start;
        assert(!hole || at - g->start < g->size);
        uint64_t end = hole ? g->start + g->size : g->start;
        if (end - at < n) n = end - at;
        for (uint64_t i = 0; hole && i < n; i++)
            if (bytes[i]) return prog_fail(PROG_DAMAGED, "%s is damaged: its content is not zero "
                                                         "in a hole", name);
        if (!hole && os_write_at(fd, at, bytes, (size_t)n) < 0)
            status = prog_fail_errno("%s", name);
        if (hole && at + n == end) status = next_gap(g);
        bytes += n;
        at += n;
        size -= n;
    }
    return status;
}

/* Chunks of zeros that lie in a hole are read only once. */
static int write_part(versions_store *s, gaps *g, int fd, const char *name, const uint8_t *id,
                      uint64_t at, uint64_t size, uint8_t *buffer)
{
    bool inside = at >= g->start && g->size - (at - g->start) >= size;
    if (inside && size == g->zeros_size && !memcmp(id, g->zeros, sizeof g->zeros)) {
        return g->size - (at - g->start) == size ? next_gap(g) : PROG_OK;
    }
    int status = versions_parts_read(s, id, size, buffer, VERSIONS_CHUNK_MAX);
    if (!status) status = write_around(g, fd, name, buffer, at, size);
    if (status || !inside) return status;
    memcpy(g->zeros, id, sizeof g->zeros);
    g->zeros_size = size;
    return PROG_OK;
}

static int write_chunks(versions_store *s, const dx_tree_entry *e, bool sparse, int fd,
                        const char *name, uint8_t *buffer)
{
    versions_parts parts;
    gaps g;
    uint8_t id[32];
    const uint8_t *found;
    uint64_t start, size;
    int status = open_gaps(&g, s, e, sparse);
    bool holes = g.start != UINT64_MAX;
    versions_parts_open(&parts, s, e);
    for (uint64_t at = 0; !status && at < e->size; at += size) {
        status = versions_parts_find(&parts, at, &found, &start, &size);
        if (status) break;
        memcpy(id, found, sizeof id);
        status = write_part(s, &g, fd, name, id, at, size, buffer);
    }
    if (!status && holes && ftruncate(fd, (off_t)e->size) < 0)
        status = prog_fail_errno("%s", name);
    versions_parts_close(&parts);
    free(g.memory);
    return status;
}

/* Hard-link the file of the old directory. False: it must be written, because it was changed since,
   has names outside this tree, or the system refuses. */
static bool link_unchanged(const restorer *r, const folder *in, const file *f)
{
    struct stat st;
    const dx_tree_entry *e = &f->entry;
    const int64_t from_ns = r->seen ? prog_time_ns() : 0;
    if (fstatat(in->old_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0) return false;
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (uint64_t)st.st_size != e->size) return false;
    versions_found now = {.name = f->name};
    versions_found_move(&now, &st);
    if (now.file.mtime_ns != e->mtime_ns || (st.st_mode & 07777) != e->mode) return false;
    if (!r->omit.owner && f->belongs.known &&
        (st.st_uid != f->belongs.user || st.st_gid != f->belongs.group))
        return false;
    if (linkat(in->old_fd, f->name, in->fd, f->name, 0) < 0) return false;
    if (r->seen) versions_stat_cache_link(r->seen, &now.file, from_ns);
    return true;
}

/* Add the written file to the stat cache, so that the next scan need not read it. */
static void note_made(const restorer *r, int fd, const dx_tree_entry *e, const file *f)
{
    struct stat st;
    versions_found made = {.name = f->name};
    if (!r->seen || fstat(fd, &st) < 0 || st.st_nlink != 1 || (uint64_t)st.st_size != e->size)
        return;
    versions_found_move(&made, &st);
    memcpy(made.file.id, e->id, sizeof made.file.id);
    if (e->level == DX_TREE_INLINE) {
        memset(made.file.id, 0, sizeof made.file.id);
        memcpy(made.file.id, f->data, (size_t)e->size);
    }
    made.file.level = e->level;
    versions_stat_cache_made(r->seen, &made.file);
}

/* May the file be created with its mode, because its owner is probably that of this process already?
   Otherwise it is private until its metadata is applied. */
static bool begins_complete(const restorer *r, const dx_tree_entry *e, const versions_belongs *belongs)
{
    if (!versions_apply_needed(&r->omit, e, belongs)) return true;
    return !e->extra_size && e->mode <= 0777 && belongs->user == r->user && belongs->group == r->group;
}

/* Is only the time left to be set? Most files belong to whoever restores them, and looking is cheaper than
   setting: that makes the file system change the inode once more. */
static bool is_complete(const restorer *r, int fd, const dx_tree_entry *e, const versions_belongs *belongs)
{
    struct stat st;
    if (!versions_apply_needed(&r->omit, e, belongs)) return true;
    return begins_complete(r, e, belongs) && fstat(fd, &st) == 0 && st.st_uid == belongs->user &&
           st.st_gid == belongs->group && (st.st_mode & 07777) == e->mode;
}

static int write_file(restorer *r, versions_store *s, const folder *in, const file *f,
                      uint8_t *buffer)
{
    const dx_tree_entry *e = &f->entry;
    if (f->unchanged && link_unchanged(r, in, f)) {
        versions_apply_count(r->report, &r->omit, e, &f->belongs);
        return PROG_OK;
    }
    const versions_target target = {.dir = in->fd, .name = f->name, .path = in->path};
    versions_target made = target;
    const unsigned mode = begins_complete(r, e, &f->belongs) ? e->mode : 0600;
    int fd = openat(in->fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return prog_fail_errno("%s", f->name);
    int status = PROG_OK;
    made.fd = fd;
    if (e->level != DX_TREE_INLINE)
        status = write_chunks(s, e, !r->omit.sparse, fd, f->name, buffer);
    else if (!prog_write_all(fd, f->data, (size_t)e->size)) status = prog_fail_errno("%s", f->name);
    if (!status && is_complete(r, fd, e, &f->belongs)) {
        versions_apply_count(r->report, &r->omit, e, &f->belongs);
        status = versions_apply_time(&r->omit, &made, e);
    } else if (!status) {
        status = versions_apply(r->report, s, &r->omit, &made, e, &f->belongs);
    }
    if (!status) note_made(r, fd, e, f);
    if (close(fd) < 0 && !status) status = prog_fail_errno("%s", f->name);
    return status;
}

/* The last user of a directory applies its metadata. */
static int leave(restorer *r, versions_store *s, folder *f)
{
    pthread_mutex_lock(&r->lock);
    assert(f->users > 0);
    bool last = --f->users == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last) return PROG_OK;
    const versions_target target = {.fd = f->fd, .dir = -1, .name = "", .path = f->path};
    int status = versions_apply(r->report, s, &r->omit, &target, &f->entry, &f->belongs);
    struct stat st;
    if (f->top && fstat(f->fd, &st) == 0) r->root_mode = st.st_mode & 07777;
    close(f->fd);
    if (f->has_old) close(f->old_fd);
    free_extras(&f->entry);
    free(f->path);
    free(f);
    return status;
}

/* skip: after a failure, only leave the directory. */
static int run_job(restorer *r, versions_store *s, job *j, uint8_t *buffer, bool skip)
{
    int status = PROG_OK;
    uint64_t bytes = 0;
    for (size_t i = 0; i < j->count; i++) {
        if (!status && !skip) status = write_file(r, s, j->folder, &j->files[i], buffer);
        bytes += j->files[i].entry.size;
        free_extras(&j->files[i].entry);
    }
    pthread_mutex_lock(&r->lock);
    j->folder->writers--;
    r->bytes += bytes;
    pthread_mutex_unlock(&r->lock);
    int left = leave(r, s, j->folder);
    return status ? status : left;
}

static void copy_job(job *to, const job *from)
{
    assert(from->count > 0 && from->count <= JOB_FILES);
    to->folder = from->folder;
    to->count = from->count;
    memcpy(to->files, from->files, from->count * sizeof *from->files);
}

/* Of a directory that no other thread writes to, if there is one: the system creates the files of a
   directory one by one. */
static void take_job(restorer *r, job *mine)
{
    unsigned at = 0;
    while (at < r->count && r->jobs[(r->head + at) % JOBS].folder->writers) at++;
    if (at == r->count) at = 0;
    job *first = &r->jobs[r->head], *taken = &r->jobs[(r->head + at) % JOBS];
    copy_job(mine, taken);
    if (taken != first) copy_job(taken, first);
    mine->folder->writers++;
    r->head = (r->head + 1) % JOBS;
    r->count--;
}

static void *run(void *user)
{
    restorer *r = user;
    versions_store *s = NULL;
    uint8_t *buffer = prog_alloc(VERSIONS_CHUNK_MAX);
    job *mine = prog_alloc(sizeof *mine);
    int status = versions_store_open(&s, r->store_path, VERSIONS_AGAIN);
    if (!status) versions_store_share_seed(s, r->store);
    pthread_mutex_lock(&r->lock);
    for (;;) {
        if (status && !r->status) r->status = status;
        while (!r->count && !r->stopping) pthread_cond_wait(&r->work, &r->lock);
        if (!r->count) break;
        take_job(r, mine);
        r->busy++;
        bool skip = r->status != PROG_OK;
        pthread_cond_signal(&r->room);
        pthread_mutex_unlock(&r->lock);
        int done = run_job(r, s, mine, buffer, skip);
        if (!status) status = done;
        pthread_mutex_lock(&r->lock);
        if (status && !r->status) r->status = status;
        r->busy--;
        pthread_cond_signal(&r->room);
    }
    pthread_mutex_unlock(&r->lock);
    versions_store_close(s);
    free(mine);
    free(buffer);
    return NULL;
}

/* >>walk --------------------------------------------------------------- */
/* Submit the current job, and begin another in that directory. */
static void send_job(restorer *r, folder *f)
{
    if (r->jobs[r->next].count) {
        pthread_mutex_lock(&r->lock);
        r->jobs[r->next].folder->users++;
        assert(r->count < JOBS - 1);
        r->next = (r->next + 1) % JOBS;
        r->count++;
        pthread_cond_signal(&r->work);
        while (r->count == JOBS - 1) pthread_cond_wait(&r->room, &r->lock);
        uint64_t bytes = r->bytes;
        r->failed = r->status != PROG_OK;
        pthread_mutex_unlock(&r->lock);
        prog_progress("restoring", bytes, 0, false);
    }
    r->jobs[r->next].count = 0;
    r->jobs[r->next].folder = f;
    r->filling_bytes = 0;
}

/* Wait until all submitted jobs are done. */
static int drain(restorer *r, folder *f)
{
    send_job(r, f);
    pthread_mutex_lock(&r->lock);
    while (r->count || r->busy) pthread_cond_wait(&r->room, &r->lock);
    int status = r->status;
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* Set old_at to the old directory's entry of that name. */
static bool find_old(folder *f, const dx_tree_entry *e)
{
    return f->has_old && versions_listing_find(&f->old, &f->old_at, &f->old_end, e) &&
           f->old_at.type == e->type;
}

static void send_file(restorer *r, folder *f, const dx_tree_entry *e,
                      const versions_belongs *belongs)
{
    job *j = &r->jobs[r->next];
    assert(j->count < JOB_FILES);
    assert(e->name_size <= DX_TREE_NAME_MAX);
    file *to = &j->files[j->count++];
    to->entry = *e;
    to->entry.extra = own_extras(e);
    to->belongs = *belongs;
    versions_owner_of(e, r->omit.numeric, &to->belongs);
    to->unchanged = find_old(f, e) && versions_link_entries_equal(&f->old_at, e) &&
                    f->old_at.extra_size == e->extra_size &&
                    !memcmp(f->old_at.extra, e->extra, e->extra_size);
    memcpy(to->name, e->name, e->name_size);
    to->name[e->name_size] = 0;
    if (e->level == DX_TREE_INLINE) memcpy(to->data, e->data, (size_t)e->size);
    r->filling_bytes += e->size;
    if (j->count == JOB_FILES || r->filling_bytes >= JOB_BYTES) send_job(r, f);
}

/* Apply the metadata of a link, a fifo or a device. */
static int finish(restorer *r, const folder *f, const char *name, const dx_tree_entry *e,
                  versions_belongs belongs)
{
    const versions_target target = {.fd = -1, .dir = f->fd, .name = name, .path = f->path};
    versions_owner_of(e, r->omit.numeric, &belongs);
    return versions_apply(r->report, r->store, &r->omit, &target, e, &belongs);
}

static int make_link(restorer *r, const folder *f, const char *name, const dx_tree_entry *e,
                     const versions_belongs *belongs)
{
    char target[DX_TREE_TARGET_MAX + 1];
    assert(e->size <= DX_TREE_TARGET_MAX);
    memcpy(target, e->data, (size_t)e->size);
    target[e->size] = 0;
    if (symlinkat(target, f->fd, name) < 0) return prog_fail_errno("%s", r->path);
    return finish(r, f, name, e, *belongs);
}

/* Create a fifo, or a device, which requires root. Both are created with their mode. */
static int make_special(restorer *r, const folder *f, const char *name, const dx_tree_entry *e,
                        const versions_belongs *belongs)
{
    bool device = e->type != DX_TREE_FIFO;
    if (r->omit.specials) return PROG_OK;
    if (device && r->omit.owner) {
        versions_report_leave_out(r->report, VERSIONS_LEFT_DEVICE);
        return PROG_OK;
    }
    int error = versions_make_special(f->fd, name, e);
    if (error == EEXIST) return prog_fail_errno("%s", r->path);
    if (error) versions_report_add(r->report, f->path, name, device ? "a device" : "a fifo", error);
    if (e->mode & 06000)
        versions_report_add(r->report, f->path, name, "its setuid or setgid bit", 0);
    return error ? PROG_OK : finish(r, f, name, e, *belongs);
}

/* Create an entry that is not a directory. belongs: inherited defaults. */
static int make_plain(restorer *r, folder *f, const char *name, const dx_tree_entry *e,
                      const versions_belongs *belongs)
{
    if (e->type == DX_TREE_LINK) return make_link(r, f, name, e, belongs);
    if (e->type != DX_TREE_FILE) return make_special(r, f, name, e, belongs);
    send_file(r, f, e, belongs);
    return PROG_OK;
}

/* The path of a file in the restored part; NULL: it is outside. */
static const char *path_in_part(const restorer *r, const char *path)
{
    const size_t size = r->part ? strlen(r->part->path) : 0;
    if (!size) return path;
    return !strncmp(path, r->part->path, size) && path[size] == '/' ? path + size + 1 : NULL;
}

/* The first name of the file e is outside of the restored part: create a file of its own. */
static int make_outside(restorer *r, folder *f, const char *name, const dx_tree_entry *e,
                        const char *first)
{
    versions_scope *p = prog_alloc(sizeof *p);
    int status = versions_scope_at(p, r->store, r->root, first, &r->omit);
    if (status == PROG_NOT_FOUND)
        status = prog_fail(PROG_DAMAGED, "a snapshot in the store is malformed: there is no %s", first);
    p->entry.name = e->name;
    p->entry.name_size = e->name_size;
    if (p->entry.type == DX_TREE_LINK) p->entry.data = e->data;
    if (!status) status = make_plain(r, f, name, &p->entry, &p->belongs);
    free(p);
    return status;
}

/* Create another name of a file that was submitted before. If the system refuses hard links, write
   a separate file. */
static int make_name(restorer *r, folder *f, const char *name, const dx_tree_entry *e)
{
    char from_top[PROG_PATH_SIZE_MAX + 1];
    dx_tree_entry first;
    versions_belongs belongs;
    int status = versions_finder_link(&r->finder, e, r->path, from_top);
    if (!status) status = drain(r, f);
    if (status) return status;
    const char *path = path_in_part(r, from_top);
    if (!path) return make_outside(r, f, name, e, from_top);
    bool special = e->type > DX_TREE_LINK;
    if (special && (r->omit.specials || (e->type != DX_TREE_FIFO && r->omit.owner)))
        return PROG_OK;
    if (!r->omit.hard_links && versions_link_make(r->root_fd, path, f->fd, name) == 0)
        return PROG_OK;
    if (!r->omit.hard_links)
        versions_report_add(r->report, f->path, name, "a hard link, which becomes a file of its own",
                            errno);
    versions_link_owner(r->root_fd, path, &belongs);
    status = versions_finder_find(&r->finder, from_top, &first); /* has the shared properties */
    if (status) return status;
    first.name = e->name;
    first.name_size = e->name_size;
    return make_plain(r, f, name, &first, &belongs);
}

static int fill(restorer *r, int fd, const dx_tree_entry *dir, const versions_belongs *belongs,
                const dx_tree_entry *old, int old_fd);

static int make_dir(restorer *r, folder *f, const char *name, const dx_tree_entry *e)
{
    int dir = f->fd;
    if (r->depth >= PROG_DEPTH_MAX)
        return prog_fail(PROG_REFUSED, "%s: more than %d directories deep", r->path,
                         PROG_DEPTH_MAX);
    if (mkdirat(dir, name, 0700) < 0) return prog_fail_errno("%s", r->path);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return prog_fail_errno("%s", r->path);
    assert(r->depth < PROG_DEPTH_MAX);
    int old_fd = -1;
    if (find_old(f, e))
        old_fd = openat(f->old_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r->depth++;
    int status = fill(r, fd, e, &f->belongs, old_fd < 0 ? NULL : &f->old_at, old_fd);
    r->depth--;
    return status;
}

static int make_entry(restorer *r, folder *f, const dx_tree_entry *e)
{
    char name[DX_TREE_NAME_MAX + 1];
    size_t before = r->path_size, size;
    bool same = dx_tree_find_extra(e, DX_TREE_SAME, &size) != NULL;
    if (r->entries_max && r->entries++ == r->entries_max)
        return prog_fail(PROG_REFUSED, "the snapshot has more than --entries-max %llu entries",
                         (unsigned long long)r->entries_max);
    if (e->type == DX_TREE_FILE && !same) {
        send_file(r, f, e, &f->belongs);
        return PROG_OK;
    }
    memcpy(name, e->name, e->name_size);
    name[e->name_size] = 0;
    r->path_size += (size_t)snprintf(r->path + before, sizeof r->path - before, "%s%s",
                                     before ? "/" : "", name);
    if (r->path_size >= sizeof r->path) r->path_size = sizeof r->path - 1;
    int status;
    if (same) status = make_name(r, f, name, e);
    else if (e->type == DX_TREE_DIR) status = make_dir(r, f, name, e);
    else status = make_plain(r, f, name, e, &f->belongs);
    r->path_size = before;
    r->path[before] = 0;
    if (e->type == DX_TREE_DIR) send_job(r, f);
    return status;
}

/* Fill the directory fd. Closes fd, and old_fd, which is open on `old` unless that is NULL.
   Recursion is limited by PROG_DEPTH_MAX. */
static int fill(restorer *r, int fd, const dx_tree_entry *dir, const versions_belongs *belongs,
                const dx_tree_entry *old, int old_fd)
{
    dx_tree_entry e;
    versions_listing l;
    bool end = false;
    int status;
    folder *f = prog_alloc(sizeof *f);
    *f = (folder){.fd = fd, .users = 1, .entry = *dir, .belongs = *belongs, .top = !r->filling++};
    f->has_old = old != NULL;
    f->old_fd = old_fd;
    if (old) versions_listing_open(&f->old, r->store, old);
    f->entry.extra = own_extras(dir);
    f->path = strcpy(prog_alloc(r->path_size + 1), r->path);
    versions_owner_of(dir, r->omit.numeric, &f->belongs);
    send_job(r, f);
    versions_listing_open(&l, r->store, dir);
    while (!(status = versions_listing_next(&l, &e, &end)) && !end && !r->failed) {
        status = make_entry(r, f, &e);
        if (status) break;
    }
    versions_listing_close(&l);
    if (old) versions_listing_close(&f->old);
    send_job(r, NULL);
    int left = leave(r, r->store, f);
    return status ? status : left;
}

/* >>restore ------------------------------------------------------------ */
static int open_old_part(const versions_scope *part, const char *top)
{
    const char *name;
    int folder = versions_scope_open(part, top, &name);
    if (folder < 0) return -1;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(folder);
    return fd;
}

/* Start the walk at the part. */
static void begin_in_part(restorer *r, const versions_scope *part)
{
    r->path_size = strlen(part->path);
    assert(r->path_size < sizeof r->path);
    memcpy(r->path, part->path, r->path_size + 1);
    for (const char *c = part->path; c; c = strchr(c + 1, '/')) r->depth++;
    assert(r->depth <= PROG_DEPTH_MAX);
}

static int fill_all(restorer *r, const dx_tree_entry *root, int fd,
                    const versions_tree_restore_desc *desc)
{
    const versions_scope *part = desc->part && *desc->part->path ? desc->part : NULL;
    dx_tree_entry old;
    int old_fd = -1;
    pthread_t threads[THREADS_MAX];
    unsigned count = 0, want = prog_thread_count(desc->workers, THREADS_MAX);
    int error = 0;
    while (count < want && !(error = pthread_create(&threads[count], NULL, run, r))) count++;
    if (!count) {
        close(fd);
        return prog_fail(PROG_SYSTEM, "cannot start a thread: %s", strerror(error));
    }
    const versions_belongs nobody = {.known = false};
    if (part && desc->old_path) {
        old = part->old;
        old_fd = open_old_part(part, desc->old_path);
    } else if (!part && desc->old_path && !versions_snapshot_root(r->store, desc->old_root, &old, NULL)) {
        old_fd = open(desc->old_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    int status = fill(r, fd, root, part ? &part->belongs : &nobody, old_fd < 0 ? NULL : &old, old_fd);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    while (count) pthread_join(threads[--count], NULL);
    return status ? status : r->status;
}

int versions_tree_restore(versions_store *s, const versions_tree_restore_desc *desc)
{
    dx_tree_entry top, e;
    uint8_t extras[DX_TREE_EXTRAS_MAX];
    versions_dest *dest = desc->dest;
    const versions_scope *part = desc->part && *desc->part->path ? desc->part : NULL;
    int status = versions_snapshot_root(s, desc->root, &top, extras);
    e = part ? part->entry : top;
    if (!status) status = versions_limits_check(&desc->limits, desc->old_path ? &top : &e);
    int fd = status ? -1 : fcntl(dest->fd, F_DUPFD_CLOEXEC, 0);
    if (status) return status;
    if (fd < 0) return prog_fail_errno("%s", dest->path);
    restorer *r = prog_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    r->store = s;
    r->store_path = versions_store_path(s);
    r->omit = desc->omit;
    r->entries_max = desc->limits.entries_max;
    r->report = desc->report;
    r->seen = desc->seen;
    r->root_fd = dest->fd;
    r->root_mode = e.mode;
    r->user = geteuid();
    r->group = getegid();
    r->part = part;
    r->root = desc->root;
    versions_finder_open(&r->finder, s, &top);
    if (part) begin_in_part(r, part);
    r->jobs = prog_alloc(JOBS * sizeof *r->jobs);
    r->jobs[0].count = 0;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->room, NULL);
    mode_t mask = umask(0); /* create files with their recorded modes */
    status = fill_all(r, &e, fd, desc);
    umask(mask);
    prog_progress(NULL, 0, 0, true);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->room);
    versions_finder_close(&r->finder);
    if (!status) status = versions_dest_filled(dest, r->root_mode);
    free(r->jobs);
    free(r);
    return status;
}

int versions_tree_restore_file(versions_store *s, const versions_tree_restore_desc *desc)
{
    versions_dest *dest = desc->dest;
    const dx_tree_entry *e = &desc->part->entry;
    const versions_target target = {.fd = dest->fd, .dir = -1, .name = desc->part->path, .path = ""};
    struct stat st;
    assert(e->type == DX_TREE_FILE && dest->kind == PROG_FILE && dest->fd >= 0);
    int status = PROG_OK;
    if (desc->limits.size_max && e->size > desc->limits.size_max)
        status = prog_fail(PROG_REFUSED, "%s has more than --size-max %llu bytes", desc->part->path,
                           (unsigned long long)desc->limits.size_max);
    uint8_t *buffer = prog_alloc(VERSIONS_CHUNK_MAX);
    if (!status && e->level != DX_TREE_INLINE)
        status = write_chunks(s, e, !desc->omit.sparse, dest->fd, desc->part->path, buffer);
    else if (!status && !prog_write_all(dest->fd, e->data, (size_t)e->size))
        status = prog_fail_errno("%s", dest->staging);
    free(buffer);
    versions_belongs belongs = desc->part->belongs;
    versions_owner_of(e, desc->omit.numeric, &belongs);
    if (!status && fchmod(dest->fd, (mode_t)(e->mode & 0777)) < 0) status = prog_fail_errno("%s", dest->staging);
    if (!status) status = versions_apply(desc->report, s, &desc->omit, &target, e, &belongs);
    if (!status && fstat(dest->fd, &st) < 0) status = prog_fail_errno("%s", dest->staging);
    if (!status) dest->mode = st.st_mode & 07777;
    return status;
}
#endif
