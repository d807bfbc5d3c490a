/* dxkeep restore: restores the directory as of a moment. The version is written to a staging
   directory next to the target, every object is verified by its hash, and the target is replaced
   atomically; a mount point is replaced entry by entry (in_place.c). */
#include "keep.h"

#include "in_place.h"
#include "keeper.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../versions/tree/entries.h"
#include "../versions/tree/scope.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int check_target(const versions_version *v, const char *target, const keep_options *o)
{
    if (!v->snapshot)
        return prog_fail(PROG_REFUSED, "%s: version %llu is not a directory that dxkeep captured",
                         o->store, (unsigned long long)v->version);
    if (prog_lies_in(o->store, target) || prog_lies_in(target, o->store))
        return prog_fail(PROG_REFUSED, "%s contains the store %s, or is inside it, and is not "
                                       "replaced; use another target",
                         target, o->store);
    return PROG_OK;
}

/* Find the part of o->path. *kind: PROG_FILE or PROG_TREE. */
static int find_part(versions_store *s, const versions_version *v, const keep_options *o,
                     versions_scope *part, int *kind)
{
    *kind = PROG_TREE;
    if (!o->path) return PROG_OK;
    size_t size = strlen(o->path);
    char *path = prog_alloc(size + 1);
    memcpy(path, o->path, size + 1);
    if (size > 1 && path[size - 1] == '/') path[--size] = 0; /* allowed after a directory */
    int status = !versions_entry_path_is_valid(path)
                     ? prog_fail(PROG_USAGE, "'%s' is not a path in a tree: paths are relative, "
                                             "without . and ..", o->path)
                     : versions_scope_at(part, s, v->root, path, &o->omit);
    free(path);
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "version %llu has no '%s'; 'dxkeep ls %s %llu' lists its entries",
                         (unsigned long long)v->version, o->path, o->store,
                         (unsigned long long)v->version);
    if (status) return status;
    if (part->entry.type == DX_TREE_FILE) *kind = PROG_FILE;
    else if (part->entry.type != DX_TREE_DIR)
        return prog_fail(PROG_USAGE, "%s is a symbolic link, a fifo or a device; restore the "
                                     "directory that it is in", o->path);
    return PROG_OK;
}

/* Without --force, replace only an empty directory, or create a missing one. */
static int check_replaced(const char *target, int kind, const keep_options *o)
{
    os_info info;
    if (o->force) return PROG_OK;
    bool filled;
    int status = keep_is_filled(target, &filled);
    if (status) return status;
    if (filled)
        return prog_fail(PROG_REFUSED, "%s is a directory that is not empty; use --force to replace it",
                         target);
    if (kind == PROG_FILE && os_stat(target, false, &info) == 0 && info.kind != OS_FOLDER)
        return prog_fail(PROG_REFUSED, "%s exists; use --force to replace it", target);
    return PROG_OK;
}

/* >>writers --------------------------------------------------------------
   A program that has a file open goes on writing to the one that was replaced, which no version has. */
/* A lease for readers is given only if nobody has the file open or mapped for writing. */
static bool is_open_for_writing(const char *path)
{
    bool written = false;
#if defined(F_SETLEASE)
    const int fd = os_open(path);
    if (fd < 0) return false;
    written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
    if (!written) (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    os_close(fd);
#endif
    return written;
}

static bool begins_as_sqlite(const char *path)
{
    static const char magic[] = "SQLite format 3"; /* and its zero byte */
    char text[sizeof magic];
    const int fd = os_open(path);
    const bool is = fd >= 0 && os_read(fd, text, sizeof text) == (int64_t)sizeof text &&
                    !memcmp(text, magic, sizeof magic);
    if (fd >= 0) os_close(fd);
    return is;
}

/* A file that is to be replaced: would that lose what is written to it, or damage a database? */
static int check_file(const char *target)
{
    static const char *const logs[] = {"-wal", "-journal"};
    char path[PROG_PATH_SIZE_MAX + 16];
    os_info info;
    if (os_stat(target, false, &info) < 0 || info.kind != OS_FILE) return PROG_OK;
    if (is_open_for_writing(target))
        return prog_fail(PROG_REFUSED, "%s is open for writing: its program would still write to the replaced "
                                       "file, and no version would have that; end the program, or restore to "
                                       "another path and copy the content", target);
    for (size_t i = 0; i < sizeof logs / sizeof *logs && begins_as_sqlite(target); i++) {
        snprintf(path, sizeof path, "%.*s%s", PROG_PATH_SIZE_MAX, target, logs[i]);
        if (os_stat(path, false, &info) == 0 && info.size)
            return prog_fail(PROG_REFUSED, "%s belongs to the database that is there, and would damage the one that is "
                                           "restored: restore to another path, with the %s of the version", path,
                             logs[i]);
    }
    return PROG_OK;
}

/* Warn if a dxkeep captures the directory, whose program may have files in it open. */
static void warn_of_keeper(const keep_options *o, const char *target)
{
    keep_keeper keeper;
    char real[PROG_PATH_SIZE_MAX + 1];
    if (o->quiet || !o->force || !keep_keeper_read(o->store, &keeper)) return;
    if (os_real_path(target, real, sizeof real) < 0 || strcmp(real, keeper.directory) != 0) return;
    prog_warn("%s is captured by a running dxkeep, process %llu: what its program writes to files that it has open "
              "now is in no version", target, (unsigned long long)keeper.pid);
}

int keep_restore_to(versions_store *s, const versions_version *v, const char *target,
                    const keep_options *o, int *partial)
{
    *partial = PROG_OK;
    int kind, status = check_target(v, target, o);
    if (status) return status;
    versions_scope *part = prog_alloc(sizeof *part);
    memset(part, 0, sizeof *part);
    status = find_part(s, v, o, part, &kind);
    if (status) {
        free(part);
        return status;
    }
    /* Take the lock before the first look at the target: entries that appear later are not
       replaced. A mount point has a journal of its own, which is also its lock. */
    versions_guard guard = {.lock = -1};
    versions_dest *dest = prog_alloc(sizeof *dest);
    memset(dest, 0, sizeof *dest);
    dest->fd = dest->entry_fd = -1;
    versions_report *report = versions_report_open();
    const bool mounted = kind == PROG_TREE && keep_is_mount_point(target);
    int journal = -1, refused = PROG_OK;
    status = mounted ? PROG_OK : versions_guard_open(&guard, target);
    if (!status) status = check_replaced(target, kind, o);
    if (!status && kind == PROG_FILE) status = check_file(target);
    if (!status && kind == PROG_TREE) warn_of_keeper(o, target);
    if (!status)
        status = mounted ? keep_in_place_open(dest, target, &journal)
                         : versions_dest_open(dest, target, kind, v->mode, NULL);
    versions_tree_restore_desc desc = {.root = v->root, .dest = dest, .workers = o->workers,
                                   .omit = o->omit, .limits = o->limits,
                                   .report = report, .part = part};
    if (!status)
        status = kind == PROG_FILE ? versions_tree_restore_file(s, &desc)
                                   : versions_tree_restore(s, &desc);
    if (!status)
        status = mounted ? keep_in_place_commit(dest, &refused)
                         : versions_dest_replace(dest, guard.before);
    versions_dest_abandon(dest);
    if (mounted) keep_in_place_close(dest->path, journal, !status);
    versions_guard_close(&guard);
    free(dest);
    free(part);
    *partial = versions_report_close(report, target);
    if (!*partial) *partial = refused;
    return status;
}

/* entries: in the directory, at any depth; only if all of it was restored. */
static void print_summary(const keep_options *o, const versions_version *v, uint64_t entries,
                          int64_t taken_ns)
{
    char size[32], count[32], when[40];
    const bool part = o->path && *o->path;
    prog_json j;
    assert(taken_ns >= 0);
    if (o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", v->version);
        prog_json_time(&j, "time", v->time_ns);
        prog_json_text(&j, "path", o->target);
        if (part) prog_json_text(&j, "part", o->path);
        prog_json_number(&j, "size", v->size);
        if (!part) prog_json_number(&j, "entries", entries);
        prog_json_number(&j, "ms", (uint64_t)taken_ns / 1000000);
        prog_json_number(&j, "torn", v->torn);
        prog_json_hash(&j, "root", v->root);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(v->time_ns, when);
    if (part) {
        prog_say("%s is %s as it was at %s (version %llu), verified\n", o->target, o->path, when,
                 (unsigned long long)v->version);
        return;
    }
    prog_say("%s is as it was at %s (version %llu): %s %s, %s bytes, in %.2f s, verified\n", o->target,
             when, (unsigned long long)v->version, prog_count_text(entries, count),
             entries == 1 ? "entry" : "entries", prog_count_text(v->size, size),
             (double)taken_ns / 1e9);
    if (v->torn) prog_say("%u files in it changed during their capture\n", v->torn);
}

int keep_restore(const keep_options *o)
{
    versions_store *s;
    versions_version v;
    dx_tree_entry root = {0};
    int partial = PROG_OK;
    const int64_t began_ns = prog_now_ns();
    assert(o->moment && o->target);
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = keep_moment_find(s, o, o->moment, &v);
    if (!status) status = keep_in_place_recover(o->target);
    if (!status) status = keep_restore_to(s, &v, o->target, o, &partial);
    if (!status && !o->quiet && (!o->path || !*o->path))
        status = versions_snapshot_root(s, v.root, &root, NULL);
    if (!status && !o->quiet) print_summary(o, &v, root.count, prog_now_ns() - began_ns);
    versions_store_close(s);
    return status ? status : partial;
}
