/* Scans directories ahead of a walk. One list holds all known directories in the order in which
   the walk will enter them; a thread takes the first one that needs work. Several threads share a
   large directory: its names are distributed in blocks. The names in memory and the open
   descriptors are limited. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "scan.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 256, AHEAD_MAX = 8192, OPEN_MAX = 32 }; /* names, names, directories */
enum { WAITING, LISTING, LISTED, READY };

struct versions_scan {
    versions_scan  *before, *next; /* in the order of the walk */
    versions_scan  *parent;
    int             fd, state, error;
    size_t          depth, path_size; /* of its path, which has depth names */
    bool            alone;  /* for the walk only: another thread failed */
    size_t          count, claimed, done; /* names; taken by threads; examined */
    char           *text;  /* storage of the names */
    versions_found *list;
    versions_found  self;
};

/* >>names -------------------------------------------------------------- */
static int compare_names(const void *a, const void *b)
{
    return strcmp(((const versions_found *)a)->name, ((const versions_found *)b)->name);
}

static bool add_name(versions_scan *s, const char *name, size_t *used, size_t *room)
{
    size_t size = strlen(name) + 1;
    assert(*used <= *room);
    if (!strcmp(name, ".") || !strcmp(name, "..")) return true;
    if (size > *room - *used) {
        size_t larger = *room * 2 + 4096;
        char *text = realloc(s->text, larger);
        if (!text) return false;
        s->text = text;
        *room = larger;
    }
    memcpy(s->text + *used, name, size);
    *used += size;
    s->count++;
    return true;
}

/* Read all names, sorted. Returns 0 or errno. */
static int read_names(versions_scan *s)
{
    size_t used = 0, room = 0;
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0), error = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        error = errno;
        if (fd >= 0) close(fd);
        return error;
    }
    rewinddir(d); /* the offset is that of s->fd, which an attempt that failed has left anywhere */
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        error = errno;
        if (!e) break;
        error = add_name(s, e->d_name, &used, &room) ? 0 : ENOMEM;
        if (error) break;
    }
    closedir(d);
    if (error || !s->count) return error;
    s->list = calloc(s->count, sizeof *s->list);
    if (!s->list) return ENOMEM;
    char *at = s->text;
    for (size_t i = 0; i < s->count; i++, at += strlen(at) + 1) s->list[i].name = at;
    qsort(s->list, s->count, sizeof *s->list, compare_names);
    return 0;
}

static void forget_names(versions_scan *s)
{
    assert(!s->list || s->text);
    free(s->text);
    free(s->list);
    s->text = NULL;
    s->list = NULL;
    s->count = 0;
}

static void close_one(versions_scan *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static int open_and_list(versions_scan *s)
{
    struct stat st;
    int error = 0;
    assert(!s->list && !s->count && (s->fd >= 0 || s->parent));
    if (s->fd < 0)
        s->fd = openat(s->parent->fd, s->self.name,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) error = errno;
    if (!error) {
        versions_found_move(&s->self, &st);
        error = read_names(s);
    }
    if (!error) return 0;
    forget_names(s);
    if (s->parent) close_one(s); /* to retry; the root was opened by the caller */
    return error;
}

/* >>stat -------------------------------------------------------------- */
void versions_found_move(versions_found *f, const struct stat *st)
{
    f->mode = st->st_mode;
    f->user = st->st_uid;
    f->group = st->st_gid;
    f->device = (uint64_t)st->st_rdev;
    f->names = (uint64_t)st->st_nlink;
    f->thin = S_ISREG(st->st_mode) && os_is_thin(st);
    f->file.device = (uint64_t)st->st_dev;
    f->file.inode = (uint64_t)st->st_ino;
    f->file.size = (uint64_t)st->st_size;
    f->file.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    f->file.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

bool versions_found_same(const versions_found *a, const versions_found *b)
{
    const versions_stat_file *x = &a->file, *y = &b->file;
    return a->mode == b->mode && x->inode == y->inode && x->device == y->device &&
           x->size == y->size && x->mtime_ns == y->mtime_ns && x->ctime_ns == y->ctime_ns;
}

static void stat_names(const versions_ahead *a, versions_scan *s, size_t from, size_t count)
{
    struct stat st;
    int64_t now_ns = prog_time_ns();
    assert(from + count <= s->count);
    for (size_t i = from; i < from + count; i++) {
        versions_found *f = &s->list[i];
        f->now_ns = now_ns;
        f->error = fstatat(s->fd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
        if (f->error) continue;
        versions_found_move(f, &st);
        f->seen = S_ISREG(f->mode) && versions_stat_cache_find(a->seen, &f->file);
    }
}

/* >>order: called with the lock held -------------------------------------- */
/* The path of a name in s, relative to the top of the tree. False: too long. */
static bool path_of(const versions_scan *s, const char *name, char path[PROG_PATH_SIZE_MAX + 1])
{
    size_t start = PROG_PATH_SIZE_MAX;
    path[start] = 0;
    for (; name; name = s ? s->self.name : NULL, s = s ? s->parent : NULL) {
        const size_t size = strlen(name);
        if (!size) break; /* the top of the walk */
        if (size + 1 > start) return false;
        if (path[start]) path[--start] = '/';
        start -= size;
        memcpy(path + start, name, size);
    }
    memmove(path, path + start, PROG_PATH_SIZE_MAX + 1 - start);
    return true;
}

/* Remove the names that are left out. */
static void drop_excluded(versions_ahead *a, versions_scan *s)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        const versions_found f = s->list[i];
        const bool folder = !f.error && S_ISDIR(f.mode);
        if (path_of(s, f.name, path) && !versions_filter_takes(a->rules, path, folder)) continue;
        s->list[kept++] = f;
    }
    a->ahead -= s->count - kept;
    s->count = s->claimed = s->done = kept;
}

/* Does the walk enter a directory of this name in s? */
static bool is_near(const versions_scan *s, const char *name)
{
    const size_t size = s->path_size + (s->path_size > 0) + strlen(name);
    return s->depth + 1 < PROG_DEPTH_MAX && size <= PROG_PATH_SIZE_MAX;
}

/* Insert its directories into the list, in order. */
static void be_ready(versions_ahead *a, versions_scan *s)
{
    assert(s->done == s->count);
    if (a->rules->count) drop_excluded(a, s);
    for (size_t i = s->count; i-- > 0;) {
        versions_found *f = &s->list[i];
        if (f->error || !S_ISDIR(f->mode) || !is_near(s, f->name)) continue;
        versions_scan *d = f->dir = prog_alloc(sizeof *d);
        memset(d, 0, sizeof *d);
        d->fd = -1;
        d->parent = s;
        d->depth = s->depth + 1;
        d->path_size = s->path_size + (s->path_size > 0) + strlen(f->name);
        d->self.name = f->name;
        d->before = s;
        d->next = s->next;
        if (s->next) s->next->before = d;
        s->next = d;
    }
    s->state = READY;
    pthread_cond_broadcast(&a->work);
    pthread_cond_broadcast(&a->done);
}

static void list_one(versions_ahead *a, versions_scan *s, bool walk)
{
    assert(s->state == WAITING);
    s->state = LISTING;
    pthread_mutex_unlock(&a->lock);
    int error = open_and_list(s);
    pthread_mutex_lock(&a->lock);
    s->alone = error && !walk; /* possibly only a limit of this thread */
    s->error = s->alone ? 0 : error;
    s->state = s->alone ? WAITING : LISTED;
    if (s->state == LISTED) {
        a->open++;
        a->ahead += s->count;
        if (!s->count) be_ready(a, s);
    }
    pthread_cond_broadcast(&a->work);
    pthread_cond_broadcast(&a->done);
}

static void stat_some(versions_ahead *a, versions_scan *s)
{
    size_t from = s->claimed, count = s->count - from < BLOCK ? s->count - from : BLOCK;
    s->claimed += count;
    pthread_mutex_unlock(&a->lock);
    stat_names(a, s, from, count);
    pthread_mutex_lock(&a->lock);
    assert(s->done + count <= s->claimed && s->claimed <= s->count);
    s->done += count;
    if (s->done == s->count) be_ready(a, s);
}

/* Do work in the directory, if there is any. Releases the lock meanwhile. */
static bool advance(versions_ahead *a, versions_scan *s, bool walk)
{
    if (s->state == WAITING) list_one(a, s, walk);
    else if (s->state == LISTED && s->claimed < s->count) stat_some(a, s);
    else return false;
    return true;
}

/* The first directory with work for a thread, or NULL. */
static versions_scan *find_work(const versions_ahead *a)
{
    bool room = a->open < a->open_max && a->ahead < AHEAD_MAX;
    for (versions_scan *s = a->first; s; s = s->next) {
        if (s->state == LISTED && s->claimed < s->count) return s;
        if (s->state == WAITING && !s->alone) return room ? s : NULL;
    }
    return NULL;
}

static void *run(void *user)
{
    versions_ahead *a = user;
    pthread_mutex_lock(&a->lock);
    while (!a->stopping) {
        versions_scan *s = find_work(a);
        if (s) advance(a, s, false);
        else pthread_cond_wait(&a->work, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* >>public ------------------------------------------------------------- */
versions_scan *versions_ahead_open(versions_ahead *a, int fd, const char *path, size_t depth,
                                   versions_stat_cache *seen, const prog_list *rules,
                                   unsigned workers)
{
    long files = sysconf(_SC_OPEN_MAX);
    workers = prog_thread_count(workers, VERSIONS_SCANNERS_MAX);
    memset(a, 0, sizeof *a);
    a->seen = seen;
    a->rules = rules;
    a->open_max = files > 0 && files < 8 * OPEN_MAX ? (size_t)files / 8 : OPEN_MAX;
    a->first = prog_alloc(sizeof *a->first);
    memset(a->first, 0, sizeof *a->first);
    a->first->fd = fd;
    a->first->self.name = path;
    a->first->depth = depth;
    a->first->path_size = strlen(path);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->done, NULL);
    /* the walk is one of the workers; fewer threads suffice if some cannot be created */
    while (a->thread_count + 1 < workers) {
        if (pthread_create(&a->threads[a->thread_count], NULL, run, a)) break;
        a->thread_count++;
    }
    return a->first;
}

int versions_ahead_enter(versions_ahead *a, versions_scan *s)
{
    pthread_mutex_lock(&a->lock);
    while (s->state != READY) {
        versions_scan *other;
        if (advance(a, s, true)) continue; /* otherwise other threads work on it */
        if ((other = find_work(a)) != NULL) advance(a, other, false);
        else pthread_cond_wait(&a->done, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return s->error;
}

int versions_scan_fd(const versions_scan *s) { return s->fd; }

const versions_found *versions_scan_self(const versions_scan *s) { return &s->self; }

versions_found *versions_scan_list(versions_scan *s, size_t *count)
{
    *count = s->count;
    return s->list;
}

void versions_ahead_leave(versions_ahead *a, versions_scan *s)
{
    pthread_mutex_lock(&a->lock);
    if (s->before) s->before->next = s->next;
    else a->first = s->next;
    if (s->next) s->next->before = s->before;
    if (s->state >= LISTED) {
        assert(a->open > 0 && a->ahead >= s->count);
        a->open--;
        a->ahead -= s->count;
    }
    if (a->open <= a->open_max / 2 && a->ahead <= AHEAD_MAX / 2) pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
    forget_names(s);
    close_one(s);
    free(s);
}

void versions_ahead_close(versions_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    assert(a->thread_count <= VERSIONS_SCANNERS_MAX);
    while (a->thread_count) pthread_join(a->threads[--a->thread_count], NULL);
    while (a->first) versions_ahead_leave(a, a->first);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->done);
}
#endif
