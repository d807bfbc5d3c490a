/* The file that is received. See target.h. */
#include "target.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* >>names ---------------------------------------------------------------- */
/* Fill the paths. False: too long. */
static bool name_files(wan_target *t, const char *out, const char *name, bool folder)
{
    const char *slash = strrchr(out, '/');
    const size_t size = sizeof t->path;
    int n, m;
    if (folder) {
        n = snprintf(t->path, size, "%s/%s", out, name);
        m = snprintf(t->part, size, "%s/.%s.dxwan-part", out, name);
        (void)snprintf(t->note, size, "%s/.%s.dxwan-note", out, name);
        (void)snprintf(t->tree, size, "%s/.%s.dxwan-tree", out, name);
    } else {
        const int before = slash ? (int)(slash - out) + 1 : 0;
        n = snprintf(t->path, size, "%s", out);
        m = snprintf(t->part, size, "%.*s.%s.dxwan-part", before, out, out + before);
        (void)snprintf(t->note, size, "%.*s.%s.dxwan-note", before, out, out + before);
        (void)snprintf(t->tree, size, "%.*s.%s.dxwan-tree", before, out, out + before);
    }
    return n > 0 && m > 0 && (size_t)n < size && (size_t)m + 1 < size;
}

static int refuse(int status, const char *path, const char *text, const char **why)
{
    *why = text;
    return prog_fail(status, "%s: %s", path, text);
}

/* Open the partial file, which is locked then. One that has another name, too, would change there: it is
   begun again. Nothing but a file is written to. Returns -1 with errno; ENOTSUP: it is no file. */
static int open_part(const char *path)
{
    for (int tries = 0; tries < 8; tries++) {
        os_info info;
        const int file = os_open_staging(path, false);
        if (file < 0) return -1;
        const bool known = os_info_of(file, &info) == 0;
        if (known && info.kind == OS_FILE && info.names == 1) return file;
        const int error = !known ? errno : info.kind != OS_FILE ? ENOTSUP : os_remove(path) < 0 ? errno : 0;
        os_close(file);
        errno = error;
        if (error) return -1;
        prog_warn("%s: has another name, too; everything is sent again", path);
    }
    errno = EBUSY;
    return -1;
}

/* The path is looked at again when a sender has come; it should not have to come for this. */
int wan_target_check(const char *what, const char *out)
{
    assert(what && *what);
    os_info info;
    char parent[PROG_PATH_SIZE_MAX + 1];
    const char *slash = out ? strrchr(out, '/') : NULL;
    if (!out || os_stat(out, true, &info) == 0) return PROG_OK;
    if (errno != ENOENT && errno != ENOTDIR) return prog_fail_errno("%s %s", what, out);
    if (!slash) return PROG_OK;
    const size_t size = slash == out ? 1 : (size_t)(slash - out);
    if (size > PROG_PATH_SIZE_MAX) return prog_fail(PROG_USAGE, "%s %s: the path is too long", what, out);
    memcpy(parent, out, size);
    parent[size] = 0;
    if (os_stat(parent, true, &info) == 0 && info.kind == OS_FOLDER && slash[1]) return PROG_OK;
    return prog_fail(PROG_NOT_FOUND, "%s %s: the directory %s does not exist", what, out,
                     slash[1] ? parent : out);
}

int wan_target_open(wan_target *t, const char *out, const char *name, bool tree, bool force,
                    const char **why)
{
    os_info info;
    memset(t, 0, sizeof *t);
    t->file = -1;
    const bool folder = os_stat(out, true, &info) == 0 && info.kind == OS_FOLDER;
    t->replace = force || !folder;
    if (!name_files(t, out, name, folder))
        return refuse(PROG_USAGE, name, "the path is too long", why);
    if (!tree) t->tree[0] = 0;
    if (os_stat(t->path, false, &info) == 0) {
        if (info.kind != (tree ? OS_FOLDER : OS_FILE))
            return refuse(PROG_REFUSED, t->path,
                          tree ? "exists, and is not a directory" : "exists, and is not a file", why);
        if (!t->replace) {
            *why = "exists; the receiver replaces it with --force only";
            return prog_fail(PROG_REFUSED, "%s: exists; --force replaces it", t->path);
        }
    }
    t->file = open_part(t->part);
    if (t->file >= 0) return PROG_OK;
    if (errno == ENOTSUP) return refuse(PROG_REFUSED, t->part, "exists, and is not a file", why);
    if (errno == EWOULDBLOCK)
        return refuse(PROG_REFUSED, t->part, "another dxwan receives this file", why);
    *why = "the receiver cannot create the file";
    return prog_fail_errno("%s", t->part);
}

static int open_beside(const wan_target *t, const char *name, int kind)
{
    char folder[PROG_PATH_SIZE_MAX + 1];
    os_info info;
    const char *slash = strrchr(t->path, '/');
    const int size = slash == t->path ? 1 : slash ? (int)(slash - t->path) : 0;
    (void)snprintf(folder, sizeof folder, "%.*s", size ? size : 1, size ? t->path : ".");
    const int in = os_open_folder(folder);
    if (in < 0) return -1;
    const int file = os_open_in(in, name, kind);
    os_close(in);
    if (file < 0 || (os_info_of(file, &info) == 0 && info.kind == kind)) return file;
    os_close(file);
    return -1;
}

int wan_target_open_old(const wan_target *t)
{
    const char *slash = strrchr(t->path, '/');
    return open_beside(t, slash ? slash + 1 : t->path, t->tree[0] ? OS_FOLDER : OS_FILE);
}

int wan_target_open_beside(const wan_target *t, const char *name) { return open_beside(t, name, OS_FILE); }

/* >>state ---------------------------------------------------------------- */
bool wan_target_resume(wan_target *t, dx_bulk *bulk)
{
    os_info info;
    int error = -1;
    const int file = os_open(t->note);
    if (file >= 0 && os_info_of(file, &info) == 0 && info.kind == OS_FILE &&
        info.size <= DX_BULK_STATE_SIZE + ((uint64_t)1 << 28)) {
        uint8_t *bytes = prog_alloc((size_t)info.size);
        size_t size = 0;
        int64_t got = 1;
        while (got > 0 && size < info.size) {
            got = os_read(file, bytes + size, (size_t)info.size - size);
            if (got > 0) size += (size_t)got;
        }
        error = dx_bulk_load(bulk, bytes, size);
        free(bytes);
    }
    if (file >= 0) os_close(file);
    /* A note of more than the partial file has would name holes as bytes. */
    if (!error && (os_info_of(t->file, &info) < 0 || info.size != bulk->object.size)) return false;
    if (!error) return true;
    if (file >= 0) prog_warn("%s: the note is damaged; everything is sent again", t->note);
    (void)ftruncate(t->file, 0);
    return false;
}

bool wan_target_size(wan_target *t, uint64_t size, const char **why)
{
    struct statvfs disk;
    os_info info;
    if (os_info_of(t->file, &info) < 0) info.size = 0;
    if (fstatvfs(t->file, &disk) == 0 && size > info.size &&
        (size - info.size) / disk.f_frsize > disk.f_bavail) {
        *why = "the receiver's disk has not enough room";
        return false;
    }
    if (ftruncate(t->file, (off_t)size) == 0) return true;
    *why = "the receiver's file system does not take a file of this size";
    return false;
}

/* Make the file durable, then the note. Returns an errno. */
static int make_durable(const wan_target *t, const uint8_t *bytes, size_t size)
{
    char fresh[PROG_PATH_SIZE_MAX + 2];
    int error = 0;
    (void)snprintf(fresh, sizeof fresh, "%s~", t->note);
    if (os_sync(t->file) < 0) return errno;
    (void)os_remove(fresh); /* left by a killed receiver */
    const int file = os_open_append(fresh, 0600);
    if (file < 0) return errno;
    if (os_write(file, bytes, size) < 0 || os_sync(file) < 0 ||
        os_replace(file, fresh, t->note, false) < 0)
        error = errno;
    os_close(file);
    if (error) (void)os_remove(fresh);
    return error;
}

/* >>thread --------------------------------------------------------------- */
static void *run(void *user)
{
    wan_target *t = user;
    pthread_mutex_lock(&t->lock);
    while (!t->ending || t->busy) {
        if (!t->busy) {
            pthread_cond_wait(&t->changed, &t->lock);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        const int error = make_durable(t, t->bytes, t->size);
        pthread_mutex_lock(&t->lock);
        t->error = error;
        t->busy = false;
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static bool start_thread(wan_target *t)
{
    if (t->started) return true;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->started = pthread_create(&t->thread, NULL, run, t) == 0;
    return t->started;
}

static void end_thread(wan_target *t)
{
    if (!t->started) return;
    pthread_mutex_lock(&t->lock);
    t->ending = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->changed);
    t->started = false;
    t->ending = false;
}

/* Store the state in t->bytes, while no thread is busy. False: no object is known. */
static bool store_state(wan_target *t, const dx_bulk *bulk)
{
    int64_t size = dx_bulk_save(bulk, t->bytes ? t->bytes : (uint8_t *)t->path, t->room);
    if (size == DX_BULK_ENOSPACE) {
        const uint64_t chunks = bulk->object.size / bulk->object.chunk_size + 1;
        free(t->bytes);
        t->room = DX_BULK_STATE_SIZE + (size_t)(chunks / 8) + 16;
        t->bytes = prog_alloc(t->room);
        size = dx_bulk_save(bulk, t->bytes, t->room);
    }
    if (size < 0) return false;
    t->size = (size_t)size;
    return true;
}

void wan_target_save(wan_target *t, const dx_bulk *bulk)
{
    if (!start_thread(t)) return;
    pthread_mutex_lock(&t->lock);
    if (!t->busy && store_state(t, bulk)) {
        t->busy = true;
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}

int wan_target_save_now(wan_target *t, const dx_bulk *bulk)
{
    end_thread(t);
    if (!store_state(t, bulk)) return PROG_OK;
    errno = make_durable(t, t->bytes, t->size);
    return errno ? prog_fail_errno("%s", t->note) : PROG_OK;
}

/* >>end ------------------------------------------------------------------ */
static int fail_place(const wan_target *t)
{
    if (errno == EEXIST || errno == ENOTEMPTY)
        return prog_fail(PROG_REFUSED, "%s: exists now; --force replaces it", t->path);
    return prog_fail_errno("%s", t->path);
}

static void end_work(wan_work *w)
{
    if (w->running) pthread_join(w->thread, NULL);
    w->running = false;
}

/* Start it, or look after it: 1: it is under way; 0: done; -1: w->error. */
static int work(wan_target *t, wan_work *w, void *(*what)(void *))
{
    if (!w->running && !w->done) {
        w->running = !pthread_create(&w->thread, NULL, what, t);
        if (!w->running) what(t);
    }
    if (!w->done) return 1;
    end_work(w);
    return w->error ? -1 : 0;
}

static void *clean(void *user)
{
    wan_target *t = user;
    t->cleaning.error = prog_remove_all(t->tree);
    t->cleaning.done = true;
    return NULL;
}

static void *sync_all(void *user)
{
    wan_target *t = user;
    const int folder = t->tree[0] ? os_open_folder(t->tree) : -1;
    const int result = !t->tree[0] ? os_sync(t->file) : folder < 0 ? -1 : os_sync_tree(folder);
    t->syncing.error = result < 0 ? errno : 0;
    if (folder >= 0) os_close(folder);
    t->syncing.done = true;
    return NULL;
}

int wan_target_clean(wan_target *t)
{
    assert(t->tree[0]);
    const int result = work(t, &t->cleaning, clean);
    return result < 0 ? -t->cleaning.error : result;
}

int wan_target_sync(wan_target *t)
{
    const bool begins = !t->syncing.running && !t->syncing.done;
    if (begins && !t->tree[0] && os_set_open_mode(t->file, os_new_mode()) < 0) return -1;
    const int result = work(t, &t->syncing, sync_all);
    if (result < 0) errno = t->syncing.error;
    return result;
}

void wan_target_unsync(wan_target *t)
{
    assert(!t->syncing.running);
    t->syncing.done = false;
}

/* A directory that was replaced is removed by wan_target_close(). */
static int place_tree(wan_target *t)
{
    os_info info;
    if (os_stat(t->path, false, &info) == 0 && info.kind != OS_FOLDER) t->replace = false;
    if ((t->replace ? os_replace(-1, t->tree, t->path, true) : os_place(-1, t->tree, t->path)) < 0)
        return fail_place(t);
    (void)os_remove(t->part);
    os_close(t->file);
    t->file = -1;
    return prog_sync_parent(t->path);
}

/* Has another program put something else under the name of the partial file? */
static bool is_replaced(const wan_target *t)
{
    os_info named, own;
    if (os_stat(t->part, false, &named) < 0 || os_info_of(t->file, &own) < 0) return false;
    return named.volume != own.volume || named.number != own.number;
}

int wan_target_place(wan_target *t)
{
    end_thread(t);
    assert(t->file >= 0);
    if (t->tree[0]) return place_tree(t);
    if (is_replaced(t))
        return prog_fail(PROG_SYSTEM, "%s: was replaced by another file meanwhile; nothing was stored", t->part);
    const int error = t->replace ? os_replace(t->file, t->part, t->path, false)
                                 : os_place(t->file, t->part, t->path);
    if (error < 0) return fail_place(t);
    (void)os_remove(t->note);
    os_close(t->file);
    t->file = -1;
    return prog_sync_parent(t->path);
}

void wan_target_close(wan_target *t, bool keep)
{
    end_thread(t);
    end_work(&t->cleaning);
    end_work(&t->syncing);
    if (t->file >= 0 && !keep) {
        (void)os_drop_staging(t->file, t->part);
        (void)os_remove(t->note);
    } else if (t->file >= 0) {
        os_close(t->file);
    }
    t->file = -1;
    if (t->tree[0]) (void)prog_remove_all(t->tree);
    free(t->bytes);
    t->bytes = NULL;
}
