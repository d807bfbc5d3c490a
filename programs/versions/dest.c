/* Replace a destination atomically. dest.h lists the files that it keeps in the same directory.

   The bytes of a file are written as they arrive. A tree arrives as a stream (image.c), which a state
   machine unpacks:

       AT_MAGIC -> AT_HEAD -> AT_PATH -> AT_DATA or AT_LINK -> AT_HEAD ... -> AT_END

   The stream may be hostile. Every path must consist of plain names, in strict order, below a
   directory that this stream has created, so nothing can be written outside the staging directory. */
#include "dest.h"

#include "modes.h"

#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The state: the meaning of the next bytes of the stream. */
enum { AT_MAGIC, AT_HEAD, AT_PATH, AT_DATA, AT_LINK, AT_END };

/* >>staging ------------------------------------------------------------ */
/* Is it a dangling link? Renaming over it would replace the link itself; of any other link the target
   is replaced. */
static bool is_dangling(const char *path)
{
    os_info info;
    return os_stat(path, false, &info) == 0 && info.kind == OS_LINK &&
           os_stat(path, true, &info) < 0;
}

/* The name of the staging file: DIR/.NAME.dxup-part. */
static int staging_path(versions_dest *d, const char *path)
{
    const char *slash = strrchr(path, '/'), *fault = os_name_fault(slash ? slash + 1 : path);
    if (fault) return prog_fail(PROG_USAGE, "'%s' cannot be a destination: %s", path, fault);
    /* links are followed: their target is replaced */
    if (os_real_path(path, d->path, sizeof d->path) < 0 || !*d->path)
        return prog_fail(PROG_USAGE, "'%s' cannot be a destination", path);
    size_t size = strlen(d->path);
    while (size > 1 && d->path[size - 1] == '/') size--;
    d->path[size] = 0;
    if (is_dangling(d->path))
        return prog_fail(PROG_REFUSED, "%s is a dangling symbolic link and cannot be replaced",
                         d->path);
    slash = strrchr(d->path, '/');
    const char *name = slash ? slash + 1 : d->path;
    if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
        return prog_fail(PROG_USAGE, "'%s' cannot be a destination", path);
    snprintf(d->staging, sizeof d->staging, "%.*s.%s.dxup-part", (int)(name - d->path), d->path,
             name);
    return PROG_OK;
}

static int cannot_lock(const versions_dest *d)
{
    if (errno == ENOENT) return prog_fail(PROG_NOT_FOUND, "%s: its parent directory does not "
                                                          "exist", d->path);
    if (errno != EWOULDBLOCK) return prog_fail_errno("%s", d->staging);
    return prog_fail(PROG_REFUSED, "%s is being updated by another process", d->path);
}

/* Create and lock the staging file or directory. */
static int staging_lock(versions_dest *d)
{
    assert(d->fd < 0 && d->staging[0]);
    d->fd = os_open_staging(d->staging, d->kind == PROG_TREE);
    return d->fd < 0 ? cannot_lock(d) : PROG_OK;
}

/* A staging file that can be resumed has a note next to it: the hash of the complete file. */
static void note_path(const versions_dest *d, char out[PROG_PATH_SIZE_MAX + 72])
{
    snprintf(out, PROG_PATH_SIZE_MAX + 72, "%s-of", d->staging);
}

static void note_remove(const versions_dest *d)
{
    char name[PROG_PATH_SIZE_MAX + 72];
    note_path(d, name);
    (void)os_remove(name); /* a stale note is harmless: the final hash is checked */
}

static int note_write(const versions_dest *d, const uint8_t *content)
{
    char name[PROG_PATH_SIZE_MAX + 72], text[65];
    note_path(d, name);
    prog_hash_text(content, text);
    int fd = os_open_staging(name, false);
    bool good = fd >= 0 && os_empty(fd) == 0 && os_write(fd, text, 64) == 0;
    int status = good ? PROG_OK : prog_fail_errno("%s", name);
    if (fd >= 0) os_close(fd);
    return status;
}

/* Does the staging file hold the beginning of that content? */
static bool note_says(const versions_dest *d, const uint8_t *content)
{
    char name[PROG_PATH_SIZE_MAX + 72], text[65], note[64];
    note_path(d, name);
    prog_hash_text(content, text);
    int fd = os_open(name);
    if (fd < 0) return false;
    int64_t size = os_read(fd, note, sizeof note);
    os_close(fd);
    return size == (int64_t)sizeof note && !memcmp(note, text, sizeof note);
}

int versions_dest_find_staging(versions_dest *d, const char *path, bool *there)
{
    char name[PROG_PATH_SIZE_MAX + 72];
    os_info info;
    int status = staging_path(d, path);
    if (status) return status;
    note_path(d, name);
    *there = os_stat(name, false, &info) == 0 && os_stat(d->staging, false, &info) == 0;
    return PROG_OK;
}

/* >>record: .NAME.dxup, next to the destination: the version that was pulled last -------- */
#define RECORD_OWNER "\n--owner" /* a name has no line feed */
enum {
    RECORD_SIZE_MAX = 20 + 1 + 2 * PROG_HASH_SIZE + 1 + PROG_NAME_SIZE_MAX + sizeof RECORD_OWNER - 1
};

void versions_dest_beside(const versions_dest *d, const char *suffix,
                          char out[PROG_PATH_SIZE_MAX + 64])
{
    assert(strlen(d->staging) > strlen("-part") && strlen(suffix) <= strlen("-part"));
    snprintf(out, PROG_PATH_SIZE_MAX + 64, "%.*s%s", (int)(strlen(d->staging) - strlen("-part")),
             d->staging, suffix);
}

/* VERSION HASH NAME, and a second line if owners were restored. */
static size_t record_text(char out[RECORD_SIZE_MAX + 1], const char *name, uint64_t version,
                          const uint8_t *hash, bool owner)
{
    char text[65];
    int size = snprintf(out, RECORD_SIZE_MAX + 1, "%llu %s %s%s", (unsigned long long)version,
                        prog_hash_text(hash, text), name, owner ? RECORD_OWNER : "");
    assert(size > 0 && size <= RECORD_SIZE_MAX);
    return (size_t)size;
}

int versions_dest_record(const versions_dest *d, const char *name, uint64_t version,
                         const uint8_t *hash, bool owner)
{
    char path[PROG_PATH_SIZE_MAX + 64], made[PROG_PATH_SIZE_MAX + 68], text[RECORD_SIZE_MAX + 1];
    size_t size = record_text(text, name, version, hash, owner);
    versions_dest_beside(d, "", path);
    snprintf(made, sizeof made, "%s-new", path);
    int file = os_open_staging(made, false);
    if (file < 0) return prog_fail_errno("%s", made);
    bool good = os_empty(file) == 0 && os_write(file, text, size) == 0 && os_sync(file) == 0 &&
                os_replace(file, made, path, false) == 0;
    int status = good ? PROG_OK : prog_fail_errno("%s", path);
    if (good) os_close(file);
    else os_drop_staging(file, made);
    return status;
}

static bool read_record(const versions_dest *d, char name[PROG_NAME_SIZE_MAX + 1],
                        uint64_t *version, uint8_t *hash, bool *owner)
{
    char path[PROG_PATH_SIZE_MAX + 64], text[RECORD_SIZE_MAX + 1], again[RECORD_SIZE_MAX + 1];
    versions_dest_beside(d, "", path);
    int file = os_open(path);
    if (file < 0) return false;
    int64_t size = os_read(file, text, sizeof text);
    os_close(file);
    if (size < 0 || size > RECORD_SIZE_MAX) return false;
    text[size] = 0;
    char *digits = strchr(text, ' ');
    *version = strtoull(text, NULL, 10);
    if (!digits || !prog_hash_parse(digits + 1, hash)) return false;
    const char *named = strchr(digits + 1, ' ');
    if (!named) return false;
    const size_t length = strcspn(named + 1, "\n");
    if (length > PROG_NAME_SIZE_MAX) return false;
    memcpy(name, named + 1, length);
    name[length] = 0;
    *owner = !strcmp(named + 1 + length, RECORD_OWNER);
    /* Ignore it unless it is exactly what versions_dest_record() writes for this name. */
    return record_text(again, name, *version, hash, *owner) == (size_t)size &&
           !memcmp(again, text, (size_t)size);
}

bool versions_dest_recorded_as(const versions_dest *d, char name[PROG_NAME_SIZE_MAX + 1],
                               uint64_t *version, uint8_t *hash)
{
    bool owner;
    return read_record(d, name, version, hash, &owner);
}

bool versions_dest_recorded_owner(const versions_dest *d)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t version;
    bool owner;
    return read_record(d, name, &version, hash, &owner) && owner;
}

bool versions_dest_recorded(const versions_dest *d, const char *name, uint64_t *version,
                            uint8_t *hash)
{
    char recorded[PROG_NAME_SIZE_MAX + 1];
    return versions_dest_recorded_as(d, recorded, version, hash) &&
           (!name || !strcmp(name, recorded));
}

int versions_dest_restart(versions_dest *d)
{
    d->kept = 0;
    return os_empty(d->fd) < 0 ? prog_fail_errno("%s", d->staging) : PROG_OK;
}

/* Resume the staging file, or start over. */
static int staging_begin(versions_dest *d, const uint8_t *content)
{
    os_info info;
    assert(d->fd >= 0 && !d->kept);
    if (content && note_says(d, content) && os_info_of(d->fd, &info) == 0) {
        d->kept = info.size;
        return PROG_OK;
    }
    note_remove(d);
    int status = d->kind == PROG_FILE ? versions_dest_restart(d) : PROG_OK;
    return status || !content ? status : note_write(d, content);
}

/* Remove a staging file or directory that is locked as fd. */
static int drop_staging(int fd, const char *path)
{
    return os_drop_staging(fd, path) < 0 ? prog_fail_errno("%s: cannot be removed", path) : PROG_OK;
}

/* Before the inventory: the directory may hold hard links to files of the destination, and removing
   those changes the times of the files. */
static int clear_folder(const versions_dest *d)
{
    os_info info;
    if (os_stat(d->staging, false, &info) < 0 || info.kind != OS_FOLDER) return PROG_OK;
    int fd = os_open_staging(d->staging, true);
    if (fd < 0) return PROG_OK; /* another process holds it: versions_dest_open() reports that */
    return drop_staging(fd, d->staging);
}

/* Remove the files of a killed process, except a file that can be resumed. Each is locked first: if
   that fails, its process is still running. */
static int staging_clear(const versions_dest *d)
{
    os_info info;
    if (os_stat(d->staging, false, &info) < 0) return PROG_OK;
    if (d->kind == PROG_FILE && info.kind == OS_FILE) return PROG_OK;
    if (info.kind != OS_FILE && info.kind != OS_FOLDER) return prog_remove_all(d->staging);
    int fd = os_open_staging(d->staging, info.kind == OS_FOLDER);
    if (fd < 0) return cannot_lock(d);
    return drop_staging(fd, d->staging);
}

int versions_dest_remove_beside(const versions_dest *d, const char *suffix)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    os_info info;
    versions_dest_beside(d, suffix, path);
    if (os_stat(path, false, &info) < 0) return PROG_OK;
    if (d->fd >= 0) return prog_remove_all(path);
    int fd = os_open_staging(d->staging, true);
    if (fd < 0) return PROG_OK; /* another running process owns it */
    int status = prog_remove_all(path);
    const int dropped = drop_staging(fd, d->staging);
    return status ? status : dropped;
}

bool versions_dest_is_free(const versions_dest *d)
{
    os_info info;
    if (d->fd >= 0 || os_stat(d->staging, false, &info) < 0) return true;
    if (info.kind != OS_FILE && info.kind != OS_FOLDER) return true;
    int fd = os_open_staging(d->staging, info.kind == OS_FOLDER);
    if (fd >= 0) os_close(fd);
    return fd >= 0;
}

int versions_dest_check(const char *path, int kind)
{
    os_info info;
    const bool tree = kind == PROG_TREE;
    if (os_stat(path, true, &info) < 0 || info.kind == (tree ? OS_FOLDER : OS_FILE)) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s exists and is not a %s: remove it first, or name another "
                     "destination", path, tree ? "directory" : "file");
}

int versions_dest_open(versions_dest *d, const char *path, int kind, unsigned mode,
                       const uint8_t *content)
{
    memset(d, 0, sizeof *d);
    d->fd = d->entry_fd = -1;
    d->kind = kind;
    d->mode = mode & 0777;
    int status = staging_path(d, path);
    if (status) return status;
    os_replace_recover(d->path);
    status = versions_dest_check(d->path, kind);
    if (!status) status = staging_clear(d);
    if (!status) status = staging_lock(d);
    if (!status && kind == PROG_TREE && !OS_KEEPS_MODES) {
        d->modes = prog_alloc(sizeof *d->modes);
        memset(d->modes, 0, sizeof *d->modes);
    }
    if (!status) status = staging_begin(d, content);
    if (status) versions_dest_abandon(d);
    return status;
}

void versions_dest_abandon(versions_dest *d)
{
    if (d->entry_fd >= 0) os_close(d->entry_fd);
    d->entry_fd = -1;
    if (d->modes) versions_modes_free(d->modes);
    free(d->modes);
    d->modes = NULL;
    if (d->fd < 0) return;
    if (d->keep) {
        os_close(d->fd);
        d->fd = -1;
        return;
    }
    note_remove(d);
    (void)drop_staging(d->fd, d->staging);
    d->fd = -1;
}

/* >>old ------------------------------------------------------------------
   After the exchange the old destination has the name of the staging directory. The inventory is saved
   before the exchange: after a crash the next process compares the old destination with it. */
static void old_note_path(const versions_dest *d, char out[PROG_PATH_SIZE_MAX + 64])
{
    versions_dest_beside(d, "-old", out);
}

static int old_note_write(const versions_dest *d, const versions_inventory *before, const char *at)
{
    char path[PROG_PATH_SIZE_MAX + 64], made[PROG_PATH_SIZE_MAX + 72];
    old_note_path(d, path);
    snprintf(made, sizeof made, "%s-new", path);
    int status = versions_inventory_save(before, at, made);
    if (!status && os_replace(-1, made, path, false) < 0) status = prog_fail_errno("%s", path);
    return status;
}

/* Also the remains of a note that was being written. */
static int old_note_remove(const versions_dest *d)
{
    char path[PROG_PATH_SIZE_MAX + 64], made[PROG_PATH_SIZE_MAX + 72];
    old_note_path(d, path);
    snprintf(made, sizeof made, "%s-new", path);
    if (os_remove(made) < 0 && errno != ENOENT) return prog_fail_errno("%s", made);
    return os_remove(path) < 0 && errno != ENOENT ? prog_fail_errno("%s", path) : PROG_OK;
}

/* The old destination was changed: keep it under a name that the user finds. */
static int keep_old(const versions_dest *d, const char *at, const versions_changes *changes)
{
    char kept[PROG_PATH_SIZE_MAX + 64];
    versions_changes_print(changes, d->path);
    for (int n = 1; n <= 1000; n++) {
        snprintf(kept, sizeof kept, n > 1 ? "%s.dxup-kept-%d" : "%s.dxup-kept", d->path, n);
        if (os_place(-1, d->staging, kept) == 0)
            return prog_fail(PROG_REFUSED,
                             "%s%s%s was changed while it was being replaced: it has the new "
                             "version now; the old content with these changes is in %s",
                             d->path, *at ? "/" : "", at, kept);
        if (errno != EEXIST && errno != ENOTEMPTY) break;
    }
    return prog_fail_errno("%s was changed, and cannot be kept as %s", d->staging, kept);
}

/* Remove the old destination, unless it was changed. */
static int drop_old(const versions_dest *d, const versions_inventory *before, const char *at)
{
    os_info info;
    int status = PROG_OK;
    bool safe = true; /* it is gone, or has a name of its own */
    versions_changes *changes = prog_alloc(sizeof *changes);
    memset(changes, 0, sizeof *changes);
    if (os_stat(d->staging, false, &info) == 0) { /* some systems leave no old file */
        status = versions_inventory_compare(before, at, d->staging, true, changes);
        if (!status && !changes->count)
            status = versions_inventory_remove(before, at, d->staging, &d->removal, changes);
        if (changes->count) status = keep_old(d, at, changes);
        safe = os_stat(d->staging, false, &info) < 0;
    }
    int forgotten = safe ? old_note_remove(d) : PROG_OK;
    free(changes);
    return status ? status : forgotten;
}

/* The note cannot be read, so the content of the staging directory is unknown. */
static int keep_unknown(const versions_dest *d)
{
    os_info info;
    versions_changes *none = prog_alloc(sizeof *none);
    memset(none, 0, sizeof *none);
    int status = os_stat(d->staging, false, &info) < 0 ? PROG_OK : keep_old(d, "", none);
    free(none);
    if (!status || status == PROG_REFUSED) (void)old_note_remove(d);
    return status;
}

/* Finish the replacement that a killed process began. The destination is locked. */
static int finish_last(const versions_dest *d)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    bool damaged;
    old_note_path(d, path);
    versions_inventory *before = versions_inventory_load(path, &damaged);
    if (damaged) return keep_unknown(d);
    int status = before && versions_inventory_is_of(before, d->staging) ? drop_old(d, before, "")
                                                                        : old_note_remove(d);
    versions_inventory_free(before);
    return status ? status : clear_folder(d);
}

/* >>guard --------------------------------------------------------------- */
/* The directory of the destination is read-only or does not exist: later steps report that. */
static bool needs_no_lock(int error)
{
    return error == EACCES || error == EPERM || error == EROFS || error == ENOENT ||
           error == ENOTDIR;
}

int versions_guard_lock(versions_guard *g, const char *path)
{
    memset(g, 0, sizeof *g);
    g->lock = -1;
    versions_dest *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    int status = staging_path(d, path);
    if (!status) {
        versions_dest_beside(d, "-lock", g->lock_path);
        g->lock = os_open_staging(g->lock_path, false);
        if (g->lock < 0 && errno == EWOULDBLOCK) status = cannot_lock(d);
        else if (g->lock < 0 && !needs_no_lock(errno)) status = prog_fail_errno("%s", g->lock_path);
    }
    if (!status) os_replace_recover(d->path);
    if (!status && g->lock >= 0) status = finish_last(d);
    free(d);
    return status;
}

int versions_guard_check(versions_guard *g, const char *path)
{
    if (g->before) return PROG_OK;
    versions_dest *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    int status = staging_path(d, path);
    if (!status) status = versions_inventory_read(&g->before, g->lock < 0 ? NULL : d->path);
    free(d);
    return status;
}

int versions_guard_open(versions_guard *g, const char *path)
{
    int status = versions_guard_lock(g, path);
    return status ? status : versions_guard_check(g, path);
}

void versions_guard_close(versions_guard *g)
{
    versions_inventory_free(g->before);
    g->before = NULL;
    if (g->lock >= 0) (void)drop_staging(g->lock, g->lock_path);
    g->lock = -1;
}

/* >>tree --------------------------------------------------------------- */
static int bad_tree(const versions_dest *d, const char *why)
{
    return prog_fail(PROG_DAMAGED, "malformed tree: %s%s%s", why,
                     d->entry[0] ? ": " : "", d->entry);
}

/* Sort order: the end of a path, then '/', then every other byte. */
static int path_order(char c)
{
    if (!c) return 0;
    return c == '/' ? 1 : (unsigned char)c + 1;
}

int versions_compare_paths(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return path_order(*a) - path_order(*b);
}

/* Leave directories until the path of the open one has `size` bytes. */
static int leave_dirs(versions_dest *d, size_t size)
{
    assert(d->depth <= PROG_DEPTH_MAX);
    while (strlen(d->dir) > size) {
        if (os_set_mode_in(d->fd, d->dir, d->dir_mode[d->depth]) < 0)
            return prog_fail_errno("%s", d->dir);
        char *slash = strrchr(d->dir, '/');
        *(slash ? slash : d->dir) = 0;
        d->depth--;
    }
    return PROG_OK;
}

/* Is the name valid on this system? */
static int check_name(const versions_dest *d, const char *name, size_t size)
{
    char copy[256];
    if (size >= sizeof copy) return PROG_OK; /* the system call fails */
    memcpy(copy, name, size);
    copy[size] = 0;
    const char *fault = os_name_fault(copy);
    if (!fault && !OS_KEEPS_MODES && name == d->entry && !strcmp(copy, VERSIONS_MODES_NAME))
        fault = "dxup uses this name itself on this system";
    return fault ? prog_fail(PROG_REFUSED, "%s: %s", d->entry, fault) : PROG_OK;
}

/* Check that every component is a plain name, that the order is strict, and that this stream has
   created the parent directory: then nothing can be written outside the staging directory. */
static int check_path(versions_dest *d)
{
    const char *p = d->entry;
    for (const char *name = p;; p++) {
        if (*p && *p != '/') continue;
        size_t size = (size_t)(p - name);
        if (!size || (size == 1 && name[0] == '.') || (size == 2 && !memcmp(name, "..", 2)))
            return bad_tree(d, "a path that leads out of it");
        int status = check_name(d, name, size);
        if (status) return status;
        if (!*p) break;
        name = p + 1;
    }
    if (d->last[0] && versions_compare_paths(d->last, d->entry) >= 0)
        return bad_tree(d, "its entries are not sorted");
    const char *slash = strrchr(d->entry, '/');
    size_t parent = slash ? (size_t)(slash - d->entry) : 0;
    size_t open_size = strlen(d->dir);
    if (parent > open_size || memcmp(d->dir, d->entry, parent) != 0 ||
        (parent < open_size && parent && d->dir[parent] != '/'))
        return bad_tree(d, "an entry without its directory");
    return leave_dirs(d, parent);
}

/* The sender chooses the length of the stream, so the size that an entry declares is checked against
   the limits before the entry is created. */
static int count_entry(versions_dest *d)
{
    if (d->entries_max && d->entries >= d->entries_max)
        return prog_fail(PROG_REFUSED, "the tree has more than --entries-max %llu entries",
                         (unsigned long long)d->entries_max);
    if (d->bytes_max && (d->bytes > d->bytes_max || d->left > d->bytes_max - d->bytes))
        return prog_fail(PROG_REFUSED, "the tree has more than --size-max %llu bytes",
                         (unsigned long long)d->bytes_max);
    d->entries++;
    d->bytes = d->left > UINT64_MAX - d->bytes ? UINT64_MAX : d->bytes + d->left;
    return PROG_OK;
}

/* Head and path of an entry are complete: create it. */
static int start_entry(versions_dest *d)
{
    assert(d->entry_fd < 0);
    char type = (char)d->head[0];
    unsigned mode = d->head[2] | (unsigned)d->head[3] << 8;
    bool root = !d->depth && !d->last[0] && !d->entry[0];
    d->have = 0;
    d->state = AT_HEAD;
    if (mode > 0777) return bad_tree(d, "an unknown mode");
    if (type == 'd' && root) {
        if (d->left) return bad_tree(d, "a directory with content");
        d->mode = mode;
        if (d->modes) versions_modes_add(d->modes, "", true, mode);
        d->depth = 1;
        return PROG_OK;
    }
    if (!d->depth) return bad_tree(d, "no root");
    int status = check_path(d);
    if (!status) status = count_entry(d);
    if (status) return status;
    strcpy(d->last, d->entry);
    if (d->modes && type != 'l') versions_modes_add(d->modes, d->entry, type == 'd', mode);
    if (type == 'd') {
        if (d->left) return bad_tree(d, "a directory with content");
        if (d->depth >= PROG_DEPTH_MAX) return bad_tree(d, "too deep");
        if (os_make_folder_in(d->fd, d->entry) < 0) return prog_fail_errno("%s", d->entry);
        strcpy(d->dir, d->entry);
        d->dir_mode[++d->depth] = (uint16_t)mode;
    } else if (type == 'l') {
        if (!d->left || d->left > PROG_PATH_SIZE_MAX) return bad_tree(d, "a link without a target");
        if (!OS_HAS_LINKS)
            return prog_fail(PROG_REFUSED, "%s is a symbolic link, which dxup cannot create on "
                                           "this system",
                             d->entry);
        d->state = AT_LINK;
    } else if (type == 'f') {
        d->entry_fd = os_make_file_in(d->fd, d->entry, mode);
        if (d->entry_fd < 0) return prog_fail_errno("%s", d->entry);
        d->state = AT_DATA;
    } else {
        return bad_tree(d, "an entry of an unknown type");
    }
    return PROG_OK;
}

/* A head is complete: the end of the stream, or an entry. */
static int end_head(versions_dest *d)
{
    static const uint8_t end[16] = {0};
    d->have = 0;
    d->entry[0] = 0;
    if (!memcmp(d->head, end, sizeof end)) {
        if (!d->depth) return bad_tree(d, "no root");
        d->state = AT_END;
        return leave_dirs(d, 0);
    }
    d->entry_size = d->head[4] | (size_t)d->head[5] << 8;
    d->left = 0;
    for (int i = 7; i >= 0; i--) d->left = d->left << 8 | d->head[8 + i];
    if (d->head[1] || d->head[6] || d->head[7]) return bad_tree(d, "reserved bytes set");
    if (d->entry_size > PROG_PATH_SIZE_MAX) return bad_tree(d, "a path that is too long");
    if (!d->entry_size) return start_entry(d);
    d->state = AT_PATH;
    return PROG_OK;
}

static int end_path(versions_dest *d)
{
    assert(d->have <= PROG_PATH_SIZE_MAX);
    d->entry[d->have] = 0;
    if (strlen(d->entry) != d->have) return bad_tree(d, "a path with a zero byte");
    return start_entry(d);
}

static int end_link(versions_dest *d)
{
    assert(d->have <= PROG_PATH_SIZE_MAX);
    d->target[d->have] = 0;
    if (strlen(d->target) != d->have) return bad_tree(d, "a link with a zero byte");
    if (os_make_link_in(d->fd, d->entry, d->target) < 0) return prog_fail_errno("%s", d->entry);
    d->have = 0;
    d->state = AT_HEAD;
    return PROG_OK;
}

/* Collect bytes into `into`; true once it has `want` bytes. */
static bool collect(versions_dest *d, void *into, size_t want, const uint8_t **p, size_t *size)
{
    assert(d->have <= want);
    size_t n = want - d->have < *size ? want - d->have : *size;
    memcpy((uint8_t *)into + d->have, *p, n);
    d->have += n;
    *p += n;
    *size -= n;
    return d->have == want;
}

/* The next bytes of a file of the tree. */
static int write_data(versions_dest *d, const uint8_t **p, size_t *size)
{
    assert(d->entry_fd >= 0);
    size_t n = d->left < *size ? (size_t)d->left : *size;
    if (!prog_write_all(d->entry_fd, *p, n)) return prog_fail_errno("%s", d->entry);
    *p += n;
    *size -= n;
    d->left -= n;
    if (d->left) return PROG_OK;
    int bad = os_close_made(d->entry_fd);
    d->entry_fd = -1;
    d->state = AT_HEAD;
    return bad < 0 ? prog_fail_errno("%s", d->entry) : PROG_OK;
}

static int write_tree(versions_dest *d, const uint8_t *p, size_t size)
{
    int status = PROG_OK;
    while (!status && (size || (d->state == AT_DATA && !d->left))) {
        switch (d->state) {
        case AT_MAGIC:
            if (!collect(d, d->head, 8, &p, &size)) break;
            d->have = 0;
            d->state = AT_HEAD;
            if (memcmp(d->head, "DXTREE1\n", 8) != 0) status = bad_tree(d, "the magic number is "
                                "missing");
            break;
        case AT_HEAD:
            if (collect(d, d->head, 16, &p, &size)) status = end_head(d);
            break;
        case AT_PATH:
            if (collect(d, d->entry, d->entry_size, &p, &size)) status = end_path(d);
            break;
        case AT_LINK:
            if (collect(d, d->target, (size_t)d->left, &p, &size)) status = end_link(d);
            break;
        case AT_DATA: status = write_data(d, &p, &size); break;
        default: status = bad_tree(d, "bytes after its end"); break;
        }
    }
    return status;
}

int versions_dest_write(versions_dest *d, const void *bytes, size_t size)
{
    assert(d->fd >= 0);
    if (d->kind == PROG_TREE) return write_tree(d, bytes, size);
    return prog_write_all(d->fd, bytes, size) ? PROG_OK : prog_fail_errno("%s", d->staging);
}

int versions_dest_filled(versions_dest *d, unsigned mode)
{
    assert(d->kind == PROG_TREE);
    d->state = AT_END;
    d->mode = mode & 07777;
    return PROG_OK;
}

/* >>commit ------------------------------------------------------------- */
/* Complete, with its mode, and synced. */
static int make_durable(versions_dest *d)
{
    if (os_set_open_mode(d->fd, d->mode) < 0) return prog_fail_errno("%s", d->staging);
    if (d->kind == PROG_FILE)
        return os_sync(d->fd) < 0 ? prog_fail_errno("%s: cannot sync", d->staging) : PROG_OK;
    if (d->state != AT_END) return bad_tree(d, "it is truncated");
    int status = d->modes ? versions_modes_save(d->modes, d->fd) : PROG_OK;
    if (status) return status;
    return os_sync_tree(d->fd) < 0 ? prog_fail_errno("%s: cannot sync", d->staging) : PROG_OK;
}

static int refuse_change(const versions_dest *d)
{
    return prog_fail(PROG_REFUSED,
                     "%s was changed during the update and is left as it is; try again",
                     d->path);
}

/* The last check before the exchange, which is not made after a change. */
static int check_unchanged(const versions_dest *d, const versions_inventory *before, const char *at)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    versions_changes *changes = prog_alloc(sizeof *changes);
    memset(changes, 0, sizeof *changes);
    snprintf(path, sizeof path, "%s%s%s", d->path, *at ? "/" : "", at);
    int status = versions_inventory_compare(before, at, path, false, changes);
    if (!status && changes->count) {
        versions_changes_print(changes, d->path);
        status = refuse_change(d);
    }
    free(changes);
    return status;
}

/* A folder that moves to another parent must be writable, and on the same mount. */
static bool is_refusal(int error)
{
    return error == EACCES || error == EPERM || error == EXDEV || error == EBUSY;
}

int versions_dest_replace_in(versions_dest *d, int folder, const char *name,
                             const int64_t *mtime_ns, const versions_inventory *before,
                             const char *at, bool *refused)
{
    assert(d->fd >= 0 && d->kind == PROG_TREE);
    *refused = false;
    int status = make_durable(d);
    if (!status) status = old_note_write(d, before, at);
    if (!status) status = check_unchanged(d, before, at);
    int old = status ? -1 : os_lock_folder_in(folder, name);
    if (!status && os_replace_in(folder, name, d->staging) < 0) {
        *refused = is_refusal(errno);
        status = *refused ? PROG_REFUSED : prog_fail_errno("%s in %s", name, d->path);
    }
    if (status) {
        if (old >= 0) os_close(old);
        (void)old_note_remove(d);
        return status;
    }
    os_close(d->fd);
    d->fd = -1;
    if (mtime_ns && os_set_time(folder, *mtime_ns) < 0)
        status = prog_fail_errno("%s: cannot set the time of the directory", d->path);
    if (os_sync(folder) < 0 && !status) status = prog_fail_errno("%s: cannot sync", d->path);
    int dropped = drop_old(d, before, at);
    if (old >= 0) os_close(old);
    return status ? status : dropped;
}

/* Returns 0, or -1 and errno: ENOENT if the old one has disappeared. */
static int exchange_old(versions_dest *d)
{
    if (os_exchange(d->staging, d->path) == 0) return 0;
    if (errno != ENOSYS && errno != EINVAL) return -1;
    return os_replace(d->fd, d->staging, d->path, d->kind == PROG_TREE);
}

int versions_dest_replace(versions_dest *d, const versions_inventory *before)
{
    assert(d->fd >= 0);
    const bool replaces = !versions_inventory_is_empty(before);
    int status = make_durable(d);
    if (!status && replaces) status = old_note_write(d, before, "");
    if (!status) status = check_unchanged(d, before, "");
    /* The old one gets the name of the staging directory, which this process holds locked. */
    int old = !status && replaces && d->kind == PROG_TREE ? os_lock_folder(d->path) : -1;
    if (d->kind == PROG_FILE) note_remove(d); /* else the old content would be resumed as new content */
    if (!status && (replaces ? exchange_old(d) : os_place(d->fd, d->staging, d->path)) < 0) {
        const bool changed = errno == ENOENT || errno == EEXIST || errno == ENOTEMPTY;
        status = changed ? refuse_change(d) : prog_fail_errno("%s", d->path);
    }
    if (status) {
        if (old >= 0) os_close(old);
        (void)old_note_remove(d);
        return status;
    }
    os_close(d->fd);
    d->fd = -1;
    status = prog_sync_parent(d->path);
    int dropped = replaces ? drop_old(d, before, "") : PROG_OK;
    if (old >= 0) os_close(old);
    return dropped ? dropped : status;
}

int versions_dest_commit(versions_dest *d)
{
    assert(d->fd >= 0 && d->kind == PROG_FILE);
    int status = make_durable(d);
    if (status) return status;
    if (os_replace(d->fd, d->staging, d->path, false) < 0) return prog_fail_errno("%s", d->path);
    note_remove(d);
    os_close(d->fd);
    d->fd = -1;
    return prog_sync_parent(d->path);
}
