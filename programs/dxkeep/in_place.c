/* The journal is a folder, and its entries are the state: each step is one rename and can be
   repeated. The journal lies on the file system of the mount, so every rename is atomic.

       DIR/.dxkeep-restore/new       is being written: DIR is unchanged
                           time      has the modification time that DIR is to have
                           ready     is complete, and was new: entries of DIR move to old
                           old       the former entries of DIR
                           filling   was ready: its entries move to DIR
                           done      was filling: DIR is complete

       write new, ready | DIR to old, filling | filling to DIR, done | remove the journal
       crash:  removed  | resumed             | resumed              | resumed

   If moving entries to old fails, they are moved back. A lost+found stays where it is. A crash during
   the last removals can leave DIR with a wrong modification time. */
#include "in_place.h"

#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/xattr.h>
#endif

enum { PASSES_MAX = 16, XATTR_SIZE_LIMIT = 65536 };

#define LOST_AND_FOUND "lost+found"

/* >>look --------------------------------------------------------------- */
bool keep_is_mount_point(const char *path)
{
    struct stat here, above;
    char parent[PROG_PATH_SIZE_MAX + 8];
#if defined(STATX_ATTR_MOUNT_ROOT)
    struct statx x; /* a bind mount may be on the same device as its parent */
    if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &x) == 0 &&
        (x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return (x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#endif
    snprintf(parent, sizeof parent, "%s/..", path);
    return stat(path, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

static bool is_folder(int folder, const char *name)
{
    struct stat st;
    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool is_there(int folder, const char *name)
{
    struct stat st;
    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int any_name(void *user, const char *name)
{
    (void)user;
    (void)name;
    return 1;
}

static int other_name(void *user, const char *name)
{
    const int *mounted = user;
    if (!strcmp(name, KEEP_IN_PLACE_NAME)) return 0;
    if (*mounted < 0 || strcmp(name, LOST_AND_FOUND) != 0) return 1;
    const int fd = os_open_in(*mounted, name, OS_FOLDER);
    if (fd < 0) return 1;
    const int found = os_list(fd, any_name, NULL);
    os_close(fd);
    return found != 0;
}

int keep_is_filled(const char *path, bool *filled)
{
    const int folder = os_open_folder(path);
    int mounted = keep_is_mount_point(path) ? folder : -1;
    *filled = false;
    if (folder < 0 && (errno == ENOENT || errno == ENOTDIR)) return PROG_OK;
    const int found = folder < 0 ? -1 : os_list(folder, other_name, &mounted);
    const int status = found < 0 ? prog_fail_errno("%s", path) : PROG_OK;
    if (folder >= 0) os_close(folder);
    *filled = found == 1;
    return status;
}

/* >>move --------------------------------------------------------------- */
typedef struct move {
    int         from, to;
    bool        leave; /* leave a lost+found: always, or if the other side has one */
    uint64_t    moved;
    const char *where; /* for messages */
} move;

static int move_one(void *user, const char *name)
{
    move *m = user;
    if (!strcmp(name, KEEP_IN_PLACE_NAME)) return 0;
    if (!strcmp(name, LOST_AND_FOUND) && is_folder(m->from, name) &&
        (m->leave || is_folder(m->to, name)))
        return 0;
    if (renameat(m->from, name, m->to, name) < 0)
        return prog_fail_errno("%s: %s cannot be moved", m->where, name);
    m->moved++;
    return 0;
}

/* A listing may miss names while entries are moved away: repeat until a pass moves none. */
static int move_all(int from, int to, bool leave, const char *where)
{
    move m = {.from = from, .to = to, .leave = leave, .where = where};
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        m.moved = 0;
        const int status = os_list(from, move_one, &m);
        if (status < 0) return prog_fail_errno("%s", where);
        if (status) return status;
        if (m.moved) continue;
        const bool synced = os_sync(to) == 0 && os_sync(from) == 0;
        return synced ? PROG_OK : prog_fail_errno("%s: cannot sync", where);
    }
    return prog_fail(PROG_REFUSED, "%s: another process keeps creating files in it; stop it and "
                                   "try again", where);
}

static int open_made(int folder, const char *name)
{
    if (mkdirat(folder, name, 0700) < 0 && errno != EEXIST) return -1;
    return os_open_in(folder, name, OS_FOLDER);
}

/* Move the entries of DIR to `old`; after an error move them back. */
static int empty_directory(int top, int journal, const char *path)
{
    const int old = open_made(journal, "old");
    if (old < 0) return prog_fail_errno("%s", path);
    int status = move_all(top, old, true, path);
    const int undone = status ? move_all(old, top, false, path) : PROG_OK;
    os_close(old);
    if (!status) return PROG_OK;
    if (undone || renameat(journal, "ready", journal, "new") < 0)
        prog_warn("%s: the restore could not be undone; the next run or restore resumes it", path);
    return status;
}

/* >>root --------------------------------------------------------------- */
#if defined(__linux__)
static bool copy_attributes(int from, int to)
{
    char *names = prog_alloc(XATTR_SIZE_LIMIT), *value = prog_alloc(XATTR_SIZE_LIMIT);
    bool good = true;
    ssize_t size = flistxattr(to, names, XATTR_SIZE_LIMIT);
    for (const char *name = names; name < names + size; name += strlen(name) + 1)
        if (fgetxattr(from, name, NULL, 0) < 0 && errno == ENODATA)
            good &= fremovexattr(to, name) == 0;
    size = flistxattr(from, names, XATTR_SIZE_LIMIT);
    good &= size >= 0 || errno == ENOTSUP;
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        const ssize_t length = fgetxattr(from, name, value, XATTR_SIZE_LIMIT);
        good &= length >= 0 && fsetxattr(to, name, value, (size_t)length, 0) == 0;
    }
    free(names);
    free(value);
    return good;
}
#else
static bool copy_attributes(int from, int to) { return from >= 0 && to >= 0; } /* not kept */
#endif

/* DIR itself cannot be replaced: copy the attributes of `filling` to it. */
static int copy_root(int from, int top, const char *path, int *partial)
{
    struct stat want, have;
    if (fstat(from, &want) < 0 || fstat(top, &have) < 0) return prog_fail_errno("%s", path);
    bool good = copy_attributes(from, top);
    if (want.st_uid != have.st_uid || want.st_gid != have.st_gid)
        good &= fchown(top, want.st_uid, want.st_gid) == 0;
    good &= fchmod(top, want.st_mode & 07777) == 0;
    if (good) return PROG_OK;
    prog_warn("%s: its owner, mode or attributes could not be restored",
              path);
    *partial = PROG_PARTIAL;
    return PROG_OK;
}

/* >>journal ------------------------------------------------------------ */
static void journal_path(const char *path, char out[PROG_PATH_SIZE_MAX + 32])
{
    snprintf(out, PROG_PATH_SIZE_MAX + 32, "%s/%s", path, KEEP_IN_PLACE_NAME);
}

/* State `done`: only removal is left, which may change the modes of folders. The time of DIR is set
   last, because removing the journal changes it. */
static int end_journal(int top, int journal, const char *path)
{
    char name[PROG_PATH_SIZE_MAX + 32], old[PROG_PATH_SIZE_MAX + 40];
    struct stat st;
    journal_path(path, name);
    snprintf(old, sizeof old, "%s/old", name);
    if (is_there(journal, "filling") && renameat(journal, "filling", journal, "done") < 0)
        return prog_fail_errno("%s", path);
    if (os_sync(journal) < 0) return prog_fail_errno("%s: cannot sync", name);
    if (os_remove_tree(old) < 0) return prog_fail_errno("%s: cannot be removed", old);
    const bool timed = fstatat(journal, "time", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (os_remove_tree(name) < 0) return prog_fail_errno("%s: cannot be removed", name);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    if (timed && futimens(top, times) < 0) return prog_fail_errno("%s: cannot set its time", path);
    return os_sync(top) < 0 ? prog_fail_errno("%s: cannot sync", path) : PROG_OK;
}

/* Complete the restore from its current state. */
static int roll_forward(int top, int journal, const char *path, int *partial)
{
    int status = PROG_OK;
    if (is_there(journal, "ready")) {
        status = empty_directory(top, journal, path);
        if (status) return status;
        if (renameat(journal, "ready", journal, "filling") < 0 || os_sync(journal) < 0)
            return prog_fail_errno("%s", path);
    }
    const int filling = os_open_in(journal, "filling", OS_FOLDER);
    if (filling < 0) return prog_fail_errno("%s", path);
    status = move_all(filling, top, false, path);
    if (!status) status = copy_root(filling, top, path, partial);
    os_close(filling);
    if (status)
        return prog_fail(status, "%s is only partly restored; the next run or restore resumes "
                                 "it", path);
    return end_journal(top, journal, path);
}

static int recover(int top, int journal, const char *path)
{
    char name[PROG_PATH_SIZE_MAX + 32];
    int partial = PROG_OK;
    if (is_there(journal, "ready") || is_there(journal, "filling"))
        return roll_forward(top, journal, path, &partial);
    if (is_there(journal, "done")) return end_journal(top, journal, path);
    journal_path(path, name);
    return os_remove_tree(name) < 0 ? prog_fail_errno("%s: cannot be removed", name) : PROG_OK;
}

int keep_in_place_recover(const char *path)
{
    char name[PROG_PATH_SIZE_MAX + 32];
    const int top = os_open_folder(path);
    if (top < 0) return PROG_OK; /* nothing was begun */
    journal_path(path, name);
    const int journal = os_lock_folder_in(top, KEEP_IN_PLACE_NAME);
    int status = PROG_OK;
    if (journal >= 0) status = recover(top, journal, path);
    else if (errno == EWOULDBLOCK)
        status = prog_fail(PROG_REFUSED, "%s is being restored by another process", path);
    else if (errno != ENOENT) status = prog_fail_errno("%s", name);
    if (journal >= 0) os_close(journal);
    os_close(top);
    return status;
}

/* >>public ------------------------------------------------------------- */
int keep_in_place_open(versions_dest *d, const char *path, int *journal)
{
    char name[PROG_PATH_SIZE_MAX + 32];
    memset(d, 0, sizeof *d);
    d->fd = d->entry_fd = -1;
    d->kind = PROG_TREE;
    *journal = -1;
    int status = keep_in_place_recover(path);
    if (status) return status;
    if (os_real_path(path, d->path, sizeof d->path) < 0) return prog_fail_errno("%s", path);
    journal_path(d->path, name);
    *journal = os_open_staging(name, true);
    if (*journal < 0)
        return errno == EWOULDBLOCK
                   ? prog_fail(PROG_REFUSED, "%s is being restored by another process", path)
                   : prog_fail_errno("%s", name);
    snprintf(d->staging, sizeof d->staging, "%s/new", name);
    d->fd = os_open_staging(d->staging, true);
    return d->fd < 0 ? prog_fail_errno("%s", d->staging) : PROG_OK;
}

/* A folder that moves must be writable: check it before anything has moved. */
static int check_movable(void *user, const char *name)
{
    const versions_dest *d = user;
    if (!is_folder(d->fd, name) || faccessat(d->fd, name, W_OK, AT_EACCESS) == 0) return 0;
    return prog_fail_errno("%s: the directory %s in it cannot be moved", d->path, name);
}

/* Make everything durable, and store the time of DIR in the journal. */
static int make_ready(versions_dest *d, int journal)
{
    struct stat st;
    int status = os_list(d->fd, check_movable, d);
    if (status) return status < 0 ? prog_fail_errno("%s", d->staging) : status;
    if (os_set_open_mode(d->fd, d->mode) < 0 || fstat(d->fd, &st) < 0)
        return prog_fail_errno("%s", d->staging);
    const int time = openat(journal, "time", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    const struct timespec times[2] = {st.st_mtim, st.st_mtim};
    if (time < 0) return prog_fail_errno("%s", d->staging);
    const bool good = futimens(time, times) == 0 && os_sync(time) == 0 &&
                      os_sync_tree(d->fd) == 0 &&
                      renameat(journal, "new", journal, "ready") == 0 && os_sync(journal) == 0;
    status = good ? PROG_OK : prog_fail_errno("%s", d->staging);
    os_close(time);
    return status;
}

int keep_in_place_commit(versions_dest *d, int *partial)
{
    assert(d->fd >= 0);
    const int top = os_open_folder(d->path);
    const int journal = top < 0 ? -1 : os_open_in(top, KEEP_IN_PLACE_NAME, OS_FOLDER);
    int status = journal < 0 ? prog_fail_errno("%s", d->path) : make_ready(d, journal);
    if (!status) status = roll_forward(top, journal, d->path, partial);
    if (journal >= 0) os_close(journal);
    if (top >= 0) os_close(top);
    return status;
}

void keep_in_place_close(const char *path, int journal, bool done)
{
    char name[PROG_PATH_SIZE_MAX + 32];
    if (journal < 0) return;
    /* A completed journal is gone, so one that exists now is another process's; one to be
       resumed stays. */
    if (!done && !is_there(journal, "ready") && !is_there(journal, "filling") &&
        !is_there(journal, "done")) {
        journal_path(path, name);
        (void)os_remove_tree(name);
    }
    os_close(journal);
}
