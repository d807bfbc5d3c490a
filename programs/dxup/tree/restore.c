/* Writes a snapshot as a directory. One thread makes directories and links, relative to the
   descriptors of their parents; all cores write files, each with its own handle of the store.
   Links are never followed: one that is swapped in meanwhile makes the restore fail, and nothing
   is written outside the staging directory. */
#include "tree.h"

#ifndef DXUP_NO_SNAPSHOTS
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOBS = 32, JOB_FILES = 64, JOB_BYTES = 1 << 20, THREADS_MAX = 16 };

typedef struct folder { /* a directory that is being filled */
    int      fd;
    unsigned users, mode;
    int64_t  mtime_ns;
} folder;

typedef struct file {
    dx_tree_entry entry; /* its name and data are here: */
    char          name[DX_TREE_NAME_MAX + 1];
    uint8_t       data[DX_TREE_INLINE_MAX];
} file;

typedef struct job {
    folder *folder;
    size_t  count;
    file    files[JOB_FILES];
} job;

typedef struct restorer {
    dxup_store     *store;
    const char     *store_path;
    int             status; /* the first failure */
    uint64_t        bytes;  /* that were written */
    job            *jobs;   /* a ring */
    unsigned        head, count;
    unsigned        next;   /* the job that is being filled, by the walk alone */
    bool            stopping, failed; /* failed: status, as the walk has seen it */
    uint64_t        filling_bytes;
    pthread_mutex_t lock;
    pthread_cond_t  work, room;
    size_t          path_size, depth; /* of the walk, for messages */
    char            path[PROG_PATH_SIZE_MAX + 1];
} restorer;

static struct timespec time_of(int64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    return t;
}

static int set_time(int fd, int dir, const char *name, int64_t mtime_ns)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time_of(mtime_ns)};
    return fd >= 0 ? futimens(fd, times) : utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

/* >>files, on any thread --------------------------------------------------- */
static int write_chunks(dxup_store *s, const dx_tree_entry *e, int fd, const char *name,
                        uint8_t *buffer)
{
    dxup_parts parts;
    const uint8_t *id;
    uint64_t start, size;
    int status = PROG_OK;
    dxup_parts_open(&parts, s, e);
    for (uint64_t at = 0; !status && at < e->size; at += size) {
        status = dxup_parts_find(&parts, at, &id, &start, &size);
        if (!status) status = dxup_part_read(s, id, size, buffer, DXUP_CHUNK_MAX);
        if (!status && !prog_write_all(fd, buffer, (size_t)size))
            status = prog_fail_errno("%s", name);
    }
    dxup_parts_close(&parts);
    return status;
}

static int write_file(dxup_store *s, int dir, const file *f, uint8_t *buffer)
{
    const dx_tree_entry *e = &f->entry;
    int fd = openat(dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->mode);
    if (fd < 0) return prog_fail_errno("%s", f->name);
    int status = PROG_OK;
    if (e->level != DX_TREE_INLINE) status = write_chunks(s, e, fd, f->name, buffer);
    else if (!prog_write_all(fd, f->data, (size_t)e->size)) status = prog_fail_errno("%s", f->name);
    if (!status && set_time(fd, 0, NULL, e->mtime_ns) < 0)
        status = prog_fail_errno("%s: its time", f->name);
    if (close(fd) < 0 && !status) status = prog_fail_errno("%s", f->name);
    return status;
}

/* The last user gives the directory its mode and time. */
static int leave(restorer *r, folder *f)
{
    pthread_mutex_lock(&r->lock);
    assert(f->users > 0);
    bool last = --f->users == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last) return PROG_OK;
    int status = PROG_OK;
    if (f->mode != 0700 && fchmod(f->fd, (mode_t)f->mode) < 0)
        status = prog_fail_errno("a directory's mode");
    if (!status && set_time(f->fd, 0, NULL, f->mtime_ns) < 0)
        status = prog_fail_errno("a directory's time");
    close(f->fd);
    free(f);
    return status;
}

/* skip: something has failed, only the directory is to be left. */
static int run_job(restorer *r, dxup_store *s, job *j, uint8_t *buffer, bool skip)
{
    int status = PROG_OK;
    uint64_t bytes = 0;
    for (size_t i = 0; !status && !skip && i < j->count; i++) {
        status = write_file(s, j->folder->fd, &j->files[i], buffer);
        bytes += j->files[i].entry.size;
    }
    int left = leave(r, j->folder);
    pthread_mutex_lock(&r->lock);
    r->bytes += bytes;
    pthread_mutex_unlock(&r->lock);
    return status ? status : left;
}

static void *run(void *user)
{
    restorer *r = user;
    dxup_store *s = NULL;
    uint8_t *buffer = prog_alloc(DXUP_CHUNK_MAX);
    job *mine = prog_alloc(sizeof *mine);
    int status = dxup_store_open(&s, r->store_path, DXUP_READ);
    pthread_mutex_lock(&r->lock);
    for (;;) {
        if (status && !r->status) r->status = status;
        while (!r->count && !r->stopping) pthread_cond_wait(&r->work, &r->lock);
        if (!r->count) break;
        job *j = &r->jobs[r->head];
        assert(j->count > 0 && j->count <= JOB_FILES);
        mine->folder = j->folder;
        mine->count = j->count;
        memcpy(mine->files, j->files, j->count * sizeof *j->files);
        r->head = (r->head + 1) % JOBS;
        r->count--;
        bool skip = r->status != PROG_OK;
        pthread_cond_signal(&r->room);
        pthread_mutex_unlock(&r->lock);
        int done = run_job(r, s, mine, buffer, skip);
        if (!status) status = done;
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    dxup_store_close(s);
    free(mine);
    free(buffer);
    return NULL;
}

/* >>walk --------------------------------------------------------------- */
/* Hand over the job that is being filled and begin another in that directory. */
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

static void send_file(restorer *r, folder *f, const dx_tree_entry *e)
{
    job *j = &r->jobs[r->next];
    assert(j->count < JOB_FILES);
    assert(e->name_size <= DX_TREE_NAME_MAX);
    file *to = &j->files[j->count++];
    to->entry = *e;
    memcpy(to->name, e->name, e->name_size);
    to->name[e->name_size] = 0;
    if (e->level == DX_TREE_INLINE) memcpy(to->data, e->data, (size_t)e->size);
    r->filling_bytes += e->size;
    if (j->count == JOB_FILES || r->filling_bytes >= JOB_BYTES) send_job(r, f);
}

static int make_link(restorer *r, int dir, const char *name, const dx_tree_entry *e)
{
    char target[DX_TREE_TARGET_MAX + 1];
    assert(e->size <= DX_TREE_TARGET_MAX);
    memcpy(target, e->data, (size_t)e->size);
    target[e->size] = 0;
    if (symlinkat(target, dir, name) < 0 || set_time(-1, dir, name, e->mtime_ns) < 0)
        return prog_fail_errno("%s", r->path);
    return PROG_OK;
}

static int fill(restorer *r, int fd, const dx_tree_entry *dir);

static int make_dir(restorer *r, int dir, const char *name, const dx_tree_entry *e)
{
    if (r->depth >= PROG_DEPTH_MAX)
        return prog_fail(PROG_REFUSED, "%s: more than %d directories deep", r->path,
                         PROG_DEPTH_MAX);
    if (mkdirat(dir, name, 0700) < 0) return prog_fail_errno("%s", r->path);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return prog_fail_errno("%s", r->path);
    assert(r->depth < PROG_DEPTH_MAX);
    r->depth++;
    int status = fill(r, fd, e);
    r->depth--;
    return status;
}

static int make_entry(restorer *r, folder *f, const dx_tree_entry *e)
{
    char name[DX_TREE_NAME_MAX + 1];
    size_t before = r->path_size;
    if (e->type == DX_TREE_FILE) {
        send_file(r, f, e);
        return PROG_OK;
    }
    memcpy(name, e->name, e->name_size);
    name[e->name_size] = 0;
    r->path_size += (size_t)snprintf(r->path + before, sizeof r->path - before, "%s%s",
                                     before ? "/" : "", name);
    if (r->path_size >= sizeof r->path) r->path_size = sizeof r->path - 1;
    int status = e->type == DX_TREE_LINK ? make_link(r, f->fd, name, e)
                                         : make_dir(r, f->fd, name, e);
    r->path_size = before;
    r->path[before] = 0;
    if (e->type == DX_TREE_DIR) send_job(r, f);
    return status;
}

/* Fill the directory fd, which is closed in the end. Depth is limited to PROG_DEPTH_MAX, so this
   recursion is too. */
static int fill(restorer *r, int fd, const dx_tree_entry *dir)
{
    dx_tree_entry e;
    dxup_listing l;
    bool end = false;
    int status;
    folder *f = prog_alloc(sizeof *f);
    *f = (folder){.fd = fd, .users = 1, .mode = dir->mode, .mtime_ns = dir->mtime_ns};
    send_job(r, f);
    dxup_listing_open(&l, r->store, dir);
    while (!(status = dxup_listing_next(&l, &e, &end)) && !end && !r->failed) {
        status = make_entry(r, f, &e);
        if (status) break;
    }
    dxup_listing_close(&l);
    send_job(r, NULL);
    int left = leave(r, f);
    return status ? status : left;
}

/* >>restore ------------------------------------------------------------ */
static int fill_all(restorer *r, const dx_tree_entry *root, int fd, unsigned workers)
{
    pthread_t threads[THREADS_MAX];
    unsigned count = 0, want = prog_thread_count(workers, THREADS_MAX);
    int error = 0;
    while (count < want && !(error = pthread_create(&threads[count], NULL, run, r))) count++;
    if (!count) {
        close(fd);
        return prog_fail(PROG_SYSTEM, "cannot start a thread: %s", strerror(error));
    }
    int status = fill(r, fd, root);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    while (count) pthread_join(threads[--count], NULL);
    return status ? status : r->status;
}

int dxup_tree_restore(dxup_store *s, const uint8_t root[32], prog_dest *dest, unsigned workers)
{
    dx_tree_entry e;
    int status = dxup_snapshot_root(s, root, &e);
    int fd = status ? -1 : fcntl(dest->fd, F_DUPFD_CLOEXEC, 0);
    if (status) return status;
    if (fd < 0) return prog_fail_errno("%s", dest->path);
    restorer *r = prog_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    r->store = s;
    r->store_path = dxup_store_path(s);
    r->jobs = prog_alloc(JOBS * sizeof *r->jobs);
    r->jobs[0].count = 0;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->room, NULL);
    mode_t mask = umask(0); /* files are made with the modes that they had */
    status = fill_all(r, &e, fd, workers);
    umask(mask);
    prog_progress(NULL, 0, 0, true);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->room);
    free(r->jobs);
    free(r);
    return status ? status : prog_dest_filled(dest, e.mode);
}
#endif
