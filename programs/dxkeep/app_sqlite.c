/* The locks of SQLite databases, in a process of its own (app.h). A database is a file that begins with
   the 16 bytes of one. It is locked by a connection with BEGIN IMMEDIATE, so that no other can write:

       rollback journal   RESERVED and SHARED: nobody writes the database, and there is no journal of a
                          transaction. One that a crash has left is rolled back first, as any reader does.
       WAL                the write lock: nobody appends to the WAL or resets it; and the checkpoint lock,
                          byte 121 of the -shm file (sqlite.org/walformat.html): nobody copies from it

   A WAL database without a -wal file is not in use. A connection would make one, which other readers of
   the directory see: instead it is locked exclusively by its bytes (sqlite.org/lockingv3.html). */
#include "app.h"

#include "../common/os.h"
#include "../versions/filter.h"

#if defined(DXKEEP_SQLITE)
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_SIZE   = 20,
    WRITE_VERSION = 18, /* byte of the header: 2 is WAL */
    SHM_CHECKPOINT = 121,
    LEVELS_MAX    = 64,  /* of directories; each takes a descriptor */
    FORGET_MIN    = 4096
};
#define PENDING_BYTE 0x40000000
#define SHARED_END   (PENDING_BYTE + 512)
#define POLL_NS INT64_C(500000)
/* A program may have locked one database, and wait for another that is locked here. So nothing is locked here for
   longer than this while one more lock is waited for. Programs wait longer (busy timeouts), and look at least every
   100 ms (sqlite3_busy_timeout()). */
#define PATIENCE_NS INT64_C(150000000)

bool keep_sqlite_is_there(void) { return true; }

/* >>find --------------------------------------------------------------- */
/* A change within the same tick of the clock as an earlier one has the same time: what changed just now is
   looked at again. */
#define SETTLED_NS INT64_C(2000000000)

static int64_t changed_ns(const struct stat *info)
{
    return (int64_t)info->st_ctim.tv_sec * 1000000000 + info->st_ctim.tv_nsec;
}

/* Of the file as it is now. */
static uint64_t fingerprint(const struct stat *info)
{
    const uint64_t parts[] = {(uint64_t)info->st_dev, (uint64_t)info->st_ino, (uint64_t)changed_ns(info)};
    uint64_t v = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        v = (v ^ parts[i]) * UINT64_C(0xff51afd7ed558ccd);
        v = (v ^ v >> 32) * UINT64_C(0xc4ceb9fe1a85ec53);
        v ^= v >> 29;
    }
    return v + !v;
}

static size_t find_slot(const keep_plain_files *plain, uint64_t print)
{
    size_t i = (size_t)print & (plain->room - 1);
    while (plain->slots[i] && plain->slots[i] != print) i = (i + 1) & (plain->room - 1);
    return i;
}

static bool is_plain(const keep_plain_files *plain, uint64_t print)
{
    return plain->count && plain->slots[find_slot(plain, print)] == print;
}

static void add_plain(keep_plain_files *plain, uint64_t print)
{
    if (4 * plain->count >= 3 * plain->room) {
        keep_plain_files larger = {.room = plain->room ? 2 * plain->room : 1024};
        larger.slots = prog_alloc(larger.room * sizeof *larger.slots);
        memset(larger.slots, 0, larger.room * sizeof *larger.slots);
        for (size_t i = 0; i < plain->room; i++)
            if (plain->slots[i]) add_plain(&larger, plain->slots[i]);
        free(plain->slots);
        *plain = larger;
    }
    uint64_t *slot = &plain->slots[find_slot(plain, print)];
    plain->count += !*slot;
    *slot = print;
}

void keep_sqlite_forget(keep_plain_files *plain)
{
    free(plain->slots);
    *plain = (keep_plain_files){.slots = NULL};
}

static bool is_database(keep_databases *h, int folder, const char *name, const struct stat *info)
{
    uint8_t header[HEADER_SIZE];
    const int64_t now_ns = prog_time_ns();
    const uint64_t print = fingerprint(info);
    if (info->st_size < HEADER_SIZE || is_plain(h->plain, print)) return false;
    const int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    const int64_t got = prog_read_at(fd, 0, header, HEADER_SIZE);
    close(fd);
    if (got == HEADER_SIZE && !memcmp(header, "SQLite format 3", 16)) return true;
    if (got == HEADER_SIZE && changed_ns(info) < now_ns - SETTLED_NS) add_plain(h->plain, print);
    return false;
}

static void find(keep_databases *h, int fd, const char *path, int level);

static void look(keep_databases *h, int folder, const char *name, const char *path, int level)
{
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return;
    if (S_ISREG(info.st_mode)) {
        h->looked++;
        if (!is_database(h, folder, name, &info)) return;
        if (!versions_filter_takes(h->rules, path, false)) return;
        if (h->count == h->room) {
            h->room = h->room * 2 + 16;
            keep_database *larger = realloc(h->list, h->room * sizeof *larger);
            if (!larger) abort();
            h->list = larger;
        }
        keep_database *d = &h->list[h->count++];
        d->path = prog_copy_text(path);
        d->device = info.st_dev;
        d->inode = info.st_ino;
    } else if (S_ISDIR(info.st_mode)) {
        if (!versions_filter_takes(h->rules, path, true)) return;
        const int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) find(h, fd, path, level + 1);
    }
}

/* Closes fd. */
static void find(keep_databases *h, int fd, const char *path, int level)
{
    char inner[PROG_PATH_SIZE_MAX + 1];
    DIR *entries = level < LEVELS_MAX ? fdopendir(fd) : NULL;
    h->missed |= !entries; /* what is below cannot be looked at */
    if (!entries) {
        close(fd);
        return;
    }
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(entries);
        h->missed |= !e && errno;
        if (!e) break;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        const int n = snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "/" : "", e->d_name);
        if (n > 0 && (size_t)n < sizeof inner) look(h, fd, e->d_name, inner, level);
    }
    closedir(entries);
}

static int compare_databases(const void *a, const void *b)
{
    return strcmp(((const keep_database *)a)->path, ((const keep_database *)b)->path);
}

bool keep_sqlite_find(keep_databases *h, const char *directory, const prog_list *rules, keep_plain_files *plain)
{
    assert(!h->count && plain);
    h->plain = plain;
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    h->rules = rules;
    find(h, fd, "", 0);
    if (plain->count > 2 * h->looked + FORGET_MIN) keep_sqlite_forget(plain); /* of files that are gone */
    if (h->count) qsort(h->list, h->count, sizeof *h->list, compare_databases);
    return !h->missed;
}

/* >>lock --------------------------------------------------------------- */
/* A write lock of bytes, until the deadline. The descriptor stays open: closing it would end the locks. */
static bool lock_bytes(int fd, off_t from, off_t size, int64_t until_ns)
{
    for (;;) {
        struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = size};
        if (fcntl(fd, F_SETLK, &range) == 0) return true;
        if (errno != EACCES && errno != EAGAIN && errno != EINTR) return false;
        if (prog_now_ns() >= until_ns) return false;
        os_sleep_ns(POLL_NS);
    }
}

static bool is_missing(const char *path, const char *suffix)
{
    char name[2 * PROG_PATH_SIZE_MAX + 16];
    struct stat info;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return lstat(name, &info) < 0 && errno == ENOENT;
}

/* The locks of one database. A connection stays open, also between two attempts: closing the last one of
   a WAL would write to the database. A descriptor does, too: closing it would end all locks of that file. */
typedef struct held {
    sqlite3 *db;       /* or NULL: not in use, and locked by its bytes */
    int      fd;       /* of the bytes, or of the -shm file; -1: none */
    bool     busy;     /* it failed because somebody else has it */
    int64_t  until_ns; /* of the present attempt */
} held;

/* Lock a WAL database that nobody has open. False: somebody has, or it is another kind. */
static bool lock_unused(held *l, const char *path)
{
    uint8_t header[HEADER_SIZE];
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PENDING_BYTE,
                          .l_len = SHARED_END - PENDING_BYTE};
    assert(!l->db && l->fd < 0);
    const int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    const bool locked = is_missing(path, "-wal") && is_missing(path, "-journal") &&
                        fcntl(fd, F_SETLK, &range) == 0 &&
                        prog_read_at(fd, 0, header, HEADER_SIZE) == HEADER_SIZE &&
                        header[WRITE_VERSION] == 2 && is_missing(path, "-wal");
    if (locked) l->fd = fd;
    else close(fd);
    return locked;
}

static bool run(sqlite3 *db, const char *text, char *out, size_t out_size)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK) return false;
    int status = sqlite3_step(statement);
    if (status == SQLITE_ROW && out) {
        const unsigned char *value = sqlite3_column_text(statement, 0);
        snprintf(out, out_size, "%s", value ? (const char *)value : "");
    }
    status = status == SQLITE_ROW || status == SQLITE_DONE ? sqlite3_finalize(statement)
                                                           : (sqlite3_finalize(statement), status);
    return status == SQLITE_OK;
}

/* sqlite3_busy_timeout() looks too rarely at a database that is written all the time. */
static int wait_for_lock(void *user, int times)
{
    const held *l = user;
    (void)times;
    if (prog_now_ns() >= l->until_ns) return 0;
    os_sleep_ns(POLL_NS);
    return 1;
}

static const char *fail(held *l)
{
    l->busy = (sqlite3_errcode(l->db) & 0xff) == SQLITE_BUSY;
    return sqlite3_errmsg(l->db);
}

/* Returns the reason, or NULL: it is locked. */
static const char *lock_database(held *l, const char *path, int64_t until_ns)
{
    char mode[32] = "", shm[2 * PROG_PATH_SIZE_MAX + 16];
    l->busy = false;
    l->until_ns = until_ns;
    if (!l->db && lock_unused(l, path)) return NULL;
    if (!l->db && sqlite3_open_v2(path, &l->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return l->db ? sqlite3_errmsg(l->db) : "out of memory";
    sqlite3_busy_handler(l->db, wait_for_lock, l);
    if (!run(l->db, "BEGIN IMMEDIATE", NULL, 0)) return fail(l);
    if (!run(l->db, "SELECT count(*) FROM sqlite_master", NULL, 0)) return fail(l);
    if (!run(l->db, "PRAGMA journal_mode", mode, sizeof mode)) return fail(l);
    if (strcmp(mode, "wal") != 0) return NULL;
    snprintf(shm, sizeof shm, "%s-shm", path);
    if (l->fd < 0) l->fd = open(shm, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (l->fd < 0) return os_error_text(errno);
    /* A program that makes a checkpoint may wait for the lock that is held now. */
    const int64_t patient_ns = prog_now_ns() + PATIENCE_NS;
    if (lock_bytes(l->fd, SHM_CHECKPOINT, 1, until_ns < patient_ns ? until_ns : patient_ns)) return NULL;
    l->busy = true;
    return "a checkpoint did not end in time";
}

/* Let others have it. What was not in use may be opened by somebody now: its descriptor is closed. */
static void unlock_database(held *l)
{
    struct flock byte = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = SHM_CHECKPOINT, .l_len = 1};
    if (!l->db) {
        if (l->fd >= 0) close(l->fd);
        l->fd = -1;
        return;
    }
    if (l->fd >= 0) (void)fcntl(l->fd, F_SETLK, &byte);
    if (!sqlite3_get_autocommit(l->db)) (void)run(l->db, "ROLLBACK", NULL, 0);
}

/* Lock all, the first one without any other. *failed: the one that is not. */
static const char *lock_all(const keep_databases *h, held *list, const char *directory, size_t first, int64_t until_ns, size_t *failed)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    for (size_t i = 0; i < h->count; i++) {
        *failed = i == 0 ? first : i - (i <= first);
        const int64_t patient_ns = prog_now_ns() + PATIENCE_NS;
        snprintf(path, sizeof path, "%s/%s", directory, h->list[*failed].path);
        const char *why = lock_database(&list[*failed], path, i == 0 || until_ns < patient_ns ? until_ns : patient_ns);
        if (why) return why;
    }
    return NULL;
}

const char *keep_sqlite_lock(const keep_databases *h, const char *directory, int64_t until_ns,
                             size_t *failed)
{
    const char *why;
    held *list = prog_alloc(h->count * sizeof *list);
    assert(h->count);
    for (size_t i = 0; i < h->count; i++) list[i] = (held){.fd = -1};
    for (size_t first = 0;; first = *failed) {
        why = lock_all(h, list, directory, first, until_ns, failed);
        if (!why || !list[*failed].busy || prog_now_ns() >= until_ns) break;
        for (size_t i = 0; i < h->count; i++) unlock_database(&list[i]);
        if (*failed == first) os_sleep_ns(PATIENCE_NS); /* a checkpoint that waits can end now */
    }
    return why; /* `list` is for as long as the process, as the locks are */
}

const char *keep_sqlite_library(void)
{
    static char text[40];
    snprintf(text, sizeof text, "sqlite %.30s", sqlite3_libversion());
    return text;
}
#else
bool keep_sqlite_is_there(void) { return false; }
const char *keep_sqlite_library(void) { return "no sqlite"; }

bool keep_sqlite_find(keep_databases *h, const char *directory, const prog_list *rules, keep_plain_files *plain)
{
    (void)h;
    (void)directory;
    (void)rules;
    (void)plain;
    return false;
}

void keep_sqlite_forget(keep_plain_files *plain) { (void)plain; }

const char *keep_sqlite_lock(const keep_databases *h, const char *directory, int64_t until_ns,
                             size_t *failed)
{
    (void)h;
    (void)directory;
    (void)until_ns;
    *failed = 0;
    return "this dxkeep was built without libsqlite3";
}
#endif
