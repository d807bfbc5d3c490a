/* dxkeep replay: applies what changed between two versions to another copy of the directory. First every path
   that is to change is compared with the version before, then all new files are written to a staging folder
   in the copy, and only then the copy changes: removals, new directories, renames. A file `ready` in the
   staging folder says that all is there: after a kill the same command continues from it, and stages again
   what was not renamed yet. A file with several names is placed once, and gets its other names last.

       compare -> stage -> ready -> remove, make, rename, link, chmod -> remove the staging folder */
#include "keep.h"

#include "../common/json.h"
#include "../common/os.h"
#include "../versions/tree/diff.h"
#include "../versions/tree/entries.h"
#include "../versions/tree/metadata.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMED_MAX = 10 /* conflicts that are named */ };

typedef struct change {
    char *path;
    bool  was, is;
    int   was_type, type;
    unsigned mode;
    bool  other_before, other_after; /* the copy differs from the version before, and after */
    bool  done;     /* by an earlier replay: the copy has it as in the version after, and had not before */
    bool  compared; /* nothing else: a change is another name of it */
    char *first;    /* it is another name of the file at this path; NULL: of none */
} change;

typedef struct replayer {
    const keep_options *o;
    versions_store  *store;
    versions_version before, after, copy;
    change          *list; /* sorted by path in bytes */
    size_t           count, room;
    uint64_t         conflicts;
    bool             against_after; /* the visit compares with the version after */
    bool             resumed; /* an earlier replay was killed when all was staged */
    int              lock;
    char             stage[PROG_PATH_SIZE_MAX + 32];
} replayer;

static int path_of(const replayer *r, const char *path, char out[PROG_PATH_SIZE_MAX + 1])
{
    const int n = snprintf(out, PROG_PATH_SIZE_MAX + 1, "%s/%s", r->o->target, path);
    if (n >= 0 && n <= PROG_PATH_SIZE_MAX) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "%s/%s: the path is too long", r->o->target, path);
}

static void staged_path(const replayer *r, size_t at, char out[PROG_PATH_SIZE_MAX + 64])
{
    snprintf(out, PROG_PATH_SIZE_MAX + 64, "%s/%zu", r->stage, at);
}

static bool is_staged(const change *c)
{
    return c->is && c->type != DX_TREE_DIR && !c->first && !c->compared;
}

/* >>changes ------------------------------------------------------------ */
static change *append(replayer *r, const char *path)
{
    if (r->count == r->room) {
        r->room = r->room * 2 + 64;
        r->list = realloc(r->list, r->room * sizeof *r->list);
        if (!r->list) abort();
    }
    change *c = &r->list[r->count++];
    *c = (change){.path = prog_alloc(strlen(path) + 1)};
    strcpy(c->path, path);
    return c;
}

static int add_change(void *user, const versions_difference *d)
{
    replayer *r = user;
    if (!strcmp(d->path, ".")) return PROG_OK; /* the copy keeps its own mode */
    if (d->is && d->type != DX_TREE_FILE && d->type != DX_TREE_DIR && d->type != DX_TREE_LINK)
        return prog_fail(PROG_REFUSED, "%s is a pipe or a device, which replay does not make", d->path);
    change *c = append(r, d->path);
    c->was = d->was;
    c->is = d->is;
    c->was_type = d->was_type;
    c->type = d->type;
    c->mode = d->mode;
    return PROG_OK;
}

static int compare_change(const void *key, const void *c)
{
    return strcmp(key, ((const change *)c)->path);
}

static change *find_change(const replayer *r, const char *path)
{
    if (!r->count) return NULL;
    return bsearch(path, r->list, r->count, sizeof *r->list, compare_change);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const change *)a)->path, ((const change *)b)->path);
}

/* In the version after: is the entry another name of a file? */
static int note_first(void *user, const versions_entry *e)
{
    change *c = user;
    size_t size;
    if (!dx_tree_find_extra(e->node, DX_TREE_SAME, &size)) return PROG_OK;
    c->first = prog_alloc(PROG_PATH_SIZE_MAX + 1);
    return versions_link_path(e->node, c->path, c->first);
}

/* Find the files that have several names. A first name that does not change is in the list, too. */
static int find_names(replayer *r)
{
    const size_t count = r->count;
    int status = PROG_OK;
    for (size_t i = 0; !status && i < count; i++) {
        change *c = &r->list[i];
        if (c->is && c->type == DX_TREE_FILE)
            status = versions_entries_visit(r->store, &r->after, c->path, 1, note_first, c);
    }
    for (size_t i = 0; !status && i < count; i++) {
        const char *first = r->list[i].first;
        bool listed = !first || bsearch(first, r->list, count, sizeof *r->list, compare_change);
        for (size_t k = count; !listed && k < r->count; k++) listed = !strcmp(first, r->list[k].path);
        if (listed) continue;
        change *c = append(r, first);
        c->was = c->is = c->compared = true;
        c->was_type = c->type = DX_TREE_FILE;
    }
    if (r->count) qsort(r->list, r->count, sizeof *r->list, by_path);
    return status;
}

/* >>base --------------------------------------------------------------- */
/* Is it a directory that a change is in? */
static bool leads_to_change(const replayer *r, const char *path)
{
    const size_t size = strlen(path);
    for (size_t i = 0; i < r->count; i++)
        if (!strncmp(r->list[i].path, path, size) && r->list[i].path[size] == '/') return true;
    return false;
}

/* Is it in a directory that is to be removed? */
static bool is_in_removed(const replayer *r, const char *path)
{
    char part[PROG_PATH_SIZE_MAX + 1];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        const change *c = find_change(r, part);
        if (c && c->was && c->was_type == DX_TREE_DIR && !(c->is && c->type == DX_TREE_DIR)) return true;
    }
    return false;
}

static void say_conflict(replayer *r, const char *path)
{
    if (r->conflicts++ < NAMED_MAX)
        prog_warn("%s/%s is not as it was in version %llu", r->o->target, path,
                  (unsigned long long)r->before.version);
}

/* Is the path as a killed replay leaves it on the way from before to after? A directory gets its mode last, and
   where a directory becomes something else, or something else a directory, nothing is there in between. */
static bool is_on_the_way(const change *c, const versions_difference *d)
{
    const bool folder = c->is && c->type == DX_TREE_DIR;
    if (!c->is) return false;
    if (d->is) return folder && !d->content;
    return c->was && folder != (c->was_type == DX_TREE_DIR);
}

/* Owners and attributes are not compared: another copy may belong to somebody else. */
static int see_difference(void *user, const versions_difference *d)
{
    replayer *r = user;
    change *c = find_change(r, d->path);
    if (!d->content && !d->modes) return PROG_OK;
    if (c && r->against_after) {
        c->other_after = !is_on_the_way(c, d);
        c->done = false;
    } else if (c) {
        c->other_before = true;
    }
    if (c || r->against_after) return PROG_OK;
    const bool other_type = !d->is || !d->was || d->was_type != d->type;
    if (is_in_removed(r, d->path) || (other_type && leads_to_change(r, d->path))) say_conflict(r, d->path);
    return PROG_OK;
}

static void count_torn(void *user, const char *path) { say_conflict(user, path); }

static void locate(void *user, const char *path, const uint8_t id[32], uint64_t at, uint32_t size)
{
    (void)user, (void)path, (void)id, (void)at, (void)size; /* content of the copy is only hashed */
}

static int by_walk(const void *a, const void *b)
{
    return versions_compare_paths(*(char *const *)a, *(char *const *)b);
}

/* Read the paths that are to change; all else is taken to be as in the version before. */
static int read_copy(replayer *r)
{
    versions_published found = {0};
    const char **paths = prog_alloc((r->count + 1) * sizeof *paths);
    for (size_t i = 0; i < r->count; i++) paths[i] = r->list[i].path;
    qsort(paths, r->count, sizeof *paths, by_walk);
    versions_stat_cache *seen = versions_stat_cache_open_at(r->stage); /* has nothing */
    versions_tree_publish_desc desc = {.path = r->o->target, .name = r->o->target, .last = r->before.root,
                                       .seen = seen, .rules = &r->o->rules, .omit = r->o->omit,
                                       .workers = r->o->workers, .locate = locate, .torn = count_torn,
                                       .torn_user = r, .changed = paths, .changed_count = r->count};
    int status = versions_tree_publish(r->store, &desc, &found);
    if (!status && found.needs_all) {
        desc.changed = NULL;
        desc.changed_count = 0;
        status = versions_tree_publish(r->store, &desc, &found);
    }
    versions_stat_cache_close(seen);
    free(paths);
    r->copy = r->before;
    memcpy(r->copy.root, found.root, sizeof r->copy.root);
    r->copy.size = found.size;
    if (!status && found.lost.closed)
        return prog_fail(PROG_SYSTEM, "%s/%s cannot be read", r->o->target, found.lost.shut);
    return status;
}

static int check_base(replayer *r)
{
    int status = read_copy(r);
    if (!status) status = versions_diff_visit(r->store, &r->before, &r->copy, see_difference, r);
    r->against_after = true;
    for (size_t i = 0; i < r->count; i++) r->list[i].done = r->resumed && r->list[i].other_before;
    if (!status && r->resumed) status = versions_diff_visit(r->store, &r->after, &r->copy, see_difference, r);
    if (status) return status;
    for (size_t i = 0; i < r->count; i++) {
        const change *c = &r->list[i];
        if (c->other_before && (!r->resumed || c->other_after)) say_conflict(r, c->path);
    }
    if (!r->conflicts) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s: %llu of the paths that change are not as they were before: nothing %swas changed",
                     r->o->target, (unsigned long long)r->conflicts, r->resumed ? "more " : "");
}

/* >>stage -------------------------------------------------------------- */
typedef struct link_text {
    char   text[PROG_PATH_SIZE_MAX + 1];
    size_t size;
} link_text;

typedef struct link_visit {
    const replayer *r;
    link_text      *out;
    int64_t         mtime_ns;
} link_visit;

static int take_text(void *user, const void *bytes, size_t size)
{
    link_text *t = user;
    if (t->size + size >= sizeof t->text) return prog_fail(PROG_SYSTEM, "the target of a link is too long");
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    return PROG_OK;
}

static int visit_link(void *user, const versions_entry *e)
{
    link_visit *v = user;
    v->mtime_ns = e->mtime_ns;
    return versions_entry_stream(v->r->store, &v->r->after, e, take_text, v->out);
}

static int stage_link(const replayer *r, const change *c, const char *to)
{
    link_text *target = prog_alloc(sizeof *target);
    *target = (link_text){.size = 0};
    link_visit visit = {r, target, 0};
    int status = versions_entries_visit(r->store, &r->after, c->path, 1, visit_link, &visit);
    target->text[target->size] = 0;
    if (!status && ((unlink(to) < 0 && errno != ENOENT) || symlink(target->text, to) < 0))
        status = prog_fail_errno("%s", to);
    const struct timespec time = {.tv_sec = (time_t)(visit.mtime_ns / 1000000000),
                                  .tv_nsec = (long)(visit.mtime_ns % 1000000000)};
    const struct timespec times[2] = {time, time};
    if (!status && visit.mtime_ns >= 0) (void)utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW);
    free(target);
    return status;
}

static int stage_all(replayer *r)
{
    char to[PROG_PATH_SIZE_MAX + 64];
    int status = PROG_OK;
    for (size_t i = 0; !status && i < r->count; i++) {
        const change *c = &r->list[i];
        keep_options o = *r->o;
        int partial = PROG_OK;
        o.path = c->path;
        o.force = true;
        staged_path(r, i, to);
        if (!is_staged(c) || c->done) continue;
        if (c->type == DX_TREE_LINK) status = stage_link(r, c, to);
        else status = keep_restore_to(r->store, &r->after, to, &o, &partial);
        if (!status) status = partial;
    }
    return status;
}

static int write_ready(const replayer *r)
{
    char path[PROG_PATH_SIZE_MAX + 64], fresh[PROG_PATH_SIZE_MAX + 64];
    snprintf(path, sizeof path, "%s/ready", r->stage);
    snprintf(fresh, sizeof fresh, "%s/fresh", r->stage);
    const int file = os_open_append(fresh, 0600);
    bool good = file >= 0 && os_empty(file) == 0 && os_write(file, r->before.root, PROG_HASH_SIZE) == 0 &&
                os_write(file, r->after.root, PROG_HASH_SIZE) == 0 && os_sync(file) == 0;
    if (file >= 0) os_close(file);
    good = good && rename(fresh, path) == 0 && os_sync_parent(path) == 0;
    return good ? PROG_OK : prog_fail_errno("%s", path);
}

/* Has an earlier replay of the same versions staged all? */
static int read_ready(replayer *r)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    uint8_t roots[2 * PROG_HASH_SIZE];
    snprintf(path, sizeof path, "%s/ready", r->stage);
    const int file = os_open(path);
    if (file < 0 && errno == ENOENT) return PROG_OK;
    const int64_t size = file >= 0 ? os_read_at(file, 0, roots, sizeof roots) : -1;
    if (file >= 0) os_close(file);
    r->resumed = size == (int64_t)sizeof roots && !memcmp(roots, r->before.root, PROG_HASH_SIZE) &&
                 !memcmp(roots + PROG_HASH_SIZE, r->after.root, PROG_HASH_SIZE);
    if (r->resumed) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s: a replay of other versions was interrupted; repeat that one first, "
                                   "or remove %s", r->o->target, r->stage);
}

static int any_name(void *user, const char *name)
{
    (void)user;
    (void)name;
    return 1;
}

/* The staging folder exists. If a replay has made it, it belongs to this user, and is empty or has a lock. */
static int check_stage(const replayer *r, const char *lock)
{
    struct stat info;
    const bool ours = lstat(r->stage, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid();
    const int folder = ours ? os_open_folder(r->stage) : -1;
    const bool empty = folder >= 0 && os_list(folder, any_name, NULL) == 0;
    if (folder >= 0) os_close(folder);
    if (folder >= 0 && (empty || (lstat(lock, &info) == 0 && S_ISREG(info.st_mode)))) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s: no replay of this user has made it; move it away", r->stage);
}

static int open_stage(replayer *r)
{
    char lock[PROG_PATH_SIZE_MAX + 64];
    const int n = snprintf(r->stage, sizeof r->stage, "%s/%s", r->o->target, KEEP_REPLAY_NAME);
    assert(n > 0 && (size_t)n < sizeof r->stage);
    snprintf(lock, sizeof lock, "%s/lock", r->stage);
    if (os_make_folder(r->stage, 0700) < 0) {
        if (errno != EEXIST) return prog_fail_errno("%s", r->o->target);
        int status = check_stage(r, lock);
        if (status) return status;
    }
    r->lock = os_open_lock(lock);
    if (r->lock < 0 && errno == EWOULDBLOCK)
        return prog_fail(PROG_REFUSED, "%s: another replay runs there", r->o->target);
    return r->lock < 0 ? prog_fail_errno("%s", lock) : read_ready(r);
}

/* >>apply -------------------------------------------------------------- */
/* What is gone already was removed by the interrupted replay. */
static int remove_old(const replayer *r, const change *c)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    struct stat now;
    const bool folder = c->was_type == DX_TREE_DIR;
    if (!c->was || (c->is && folder == (c->type == DX_TREE_DIR))) return PROG_OK;
    int status = path_of(r, c->path, path);
    if (status || lstat(path, &now) < 0 || (S_ISDIR(now.st_mode) != 0) != folder) return status;
    if ((folder ? rmdir(path) : unlink(path)) == 0 || errno == ENOENT) return PROG_OK;
    return prog_fail_errno("%s", path);
}

static int place_new(const replayer *r, size_t at)
{
    char path[PROG_PATH_SIZE_MAX + 1], from[PROG_PATH_SIZE_MAX + 64];
    const change *c = &r->list[at];
    int status = path_of(r, c->path, path);
    if (status || !c->is || c->first || c->compared || c->done) return status;
    staged_path(r, at, from);
    if (is_staged(c) && rename(from, path) == 0) return PROG_OK;
    if (!is_staged(c) && (mkdir(path, 0700) == 0 || errno == EEXIST)) return PROG_OK;
    return prog_fail_errno("%s", path);
}

/* Make the path another name of a file that is in place. If it is one already, rename() does nothing. */
static int place_name(const replayer *r, size_t at)
{
    char path[PROG_PATH_SIZE_MAX + 1], first[PROG_PATH_SIZE_MAX + 1], from[PROG_PATH_SIZE_MAX + 64];
    const change *c = &r->list[at];
    if (!c->is || !c->first) return PROG_OK;
    int status = path_of(r, c->path, path);
    if (!status) status = path_of(r, c->first, first);
    if (status) return status;
    staged_path(r, at, from);
    if ((unlink(from) == 0 || errno == ENOENT) && link(first, from) == 0 && rename(from, path) == 0) return PROG_OK;
    return prog_fail_errno("%s", path);
}

/* Last, and the innermost first: a directory may forbid to write to it. */
static int set_mode(const replayer *r, const change *c)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    if (!c->is || c->type != DX_TREE_DIR) return PROG_OK;
    int status = path_of(r, c->path, path);
    if (!status && chmod(path, (mode_t)c->mode) < 0) status = prog_fail_errno("%s", path);
    return status;
}

static int apply(const replayer *r)
{
    int status = PROG_OK;
    for (size_t i = r->count; !status && i > 0; i--) status = remove_old(r, &r->list[i - 1]);
    for (size_t i = 0; !status && i < r->count; i++) status = place_new(r, i);
    for (size_t i = 0; !status && i < r->count; i++) status = place_name(r, i);
    for (size_t i = r->count; !status && i > 0; i--) status = set_mode(r, &r->list[i - 1]);
    const int folder = status ? -1 : os_open_folder(r->o->target);
    if (!status && (folder < 0 || os_sync_tree(folder) < 0)) status = prog_fail_errno("%s", r->o->target);
    if (folder >= 0) os_close(folder);
    if (status) prog_warn("%s: repeat the command to continue", r->o->target);
    return status;
}

/* >>replay ------------------------------------------------------------- */
static int find_versions(replayer *r)
{
    const keep_options *o = r->o;
    int status = keep_moment_find(r->store, o, o->moment, &r->after);
    if (!status && o->second) status = keep_moment_find(r->store, o, o->second, &r->before);
    else if (!status && r->after.version == 1) status = PROG_NOT_FOUND;
    else if (!status) status = versions_version_find(r->store, o->name, r->after.version - 1, &r->before);
    if (status == PROG_NOT_FOUND && r->after.version && !o->second)
        return prog_fail(status, "%s has no version %llu, which was before version %llu; --from names another",
                         o->store, (unsigned long long)r->after.version - 1, (unsigned long long)r->after.version);
    if (!status && (!r->before.snapshot || !r->after.snapshot))
        return prog_fail(PROG_REFUSED, "%s: these versions are not directories that dxkeep captured", o->store);
    return status;
}

static void print_summary(const replayer *r)
{
    char count[32];
    prog_json j;
    size_t changed = 0;
    for (size_t i = 0; i < r->count; i++) changed += !r->list[i].compared;
    if (!r->o->json) {
        prog_say("%s: %s %s changed from version %llu to %llu\n", r->o->target, prog_count_text(changed, count),
                 changed == 1 ? "entry" : "entries", (unsigned long long)r->before.version,
                 (unsigned long long)r->after.version);
        return;
    }
    prog_json_begin(&j);
    prog_json_number(&j, "from", r->before.version);
    prog_json_number(&j, "to", r->after.version);
    prog_json_number(&j, "entries", changed);
    prog_json_flag(&j, "continued", r->resumed);
    prog_json_end(&j);
}

static int replay(replayer *r)
{
    os_info info;
    if (os_stat(r->o->target, true, &info) < 0 || info.kind != OS_FOLDER)
        return prog_fail(PROG_NOT_FOUND, "%s: no such directory", r->o->target);
    int status = find_versions(r);
    if (!status) status = versions_diff_visit(r->store, &r->before, &r->after, add_change, r);
    if (!status) status = find_names(r);
    if (!status) status = open_stage(r);
    if (status) return status;
    status = check_base(r);
    if (!status) status = stage_all(r);
    const bool unchanged = status && !r->resumed;
    if (!status && !r->resumed) status = write_ready(r);
    if (!status) status = apply(r);
    const bool left = (!status || unchanged) && os_remove_tree(r->stage) < 0;
    const int error = errno;
    if (!status && !r->o->quiet) print_summary(r);
    if (left)
        status = prog_fail(PROG_SYSTEM, "%s could not be removed: %s; remove it before the next replay", r->stage,
                           os_error_text(error));
    return status;
}

int keep_replay(const keep_options *o)
{
    replayer r = {.o = o, .lock = -1};
    versions_store_wait(o->store, prog_now_ns() + KEEP_LOCK_NS);
    int status = versions_store_open(&r.store, o->store, VERSIONS_WRITE); /* nothing is committed */
    if (status) return status;
    status = replay(&r);
    if (r.lock >= 0) os_close(r.lock);
    for (size_t i = 0; i < r.count; i++) {
        free(r.list[i].path);
        free(r.list[i].first);
    }
    free(r.list);
    versions_store_close(r.store);
    return status;
}
