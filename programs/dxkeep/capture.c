/* One capture: the directory is published as a snapshot (tree/publish*.c) while it changes. A full
   capture looks at everything and reads only files that differ from what the last full capture saw;
   a partial one looks only at the noted paths and takes the rest from the last version. Files that
   change while they are read are read again. The version is added by one commit, so a capture is
   stored completely or not at all. */
#include "keep.h"

#include "hook.h"
#include "in_place.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../versions/filter.h"
#include "../versions/tree/prints.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGED_MAX = 16384 }; /* paths; with more, the next capture is a full one */

/* >>changes ------------------------------------------------------------ */
static void forget_changes(keep_capture *c)
{
    for (size_t i = 0; i < c->changed_count; i++) free(c->changed[i]);
    c->changed_count = 0;
}

void keep_capture_note(keep_capture *c, const char *path)
{
    if (!*path || c->changed_count == CHANGED_MAX) c->all = true;
    if (c->all) {
        forget_changes(c);
        return;
    }
    if (c->changed_count == c->changed_room) {
        c->changed_room = c->changed_room * 2 + 64;
        char **larger = realloc(c->changed, c->changed_room * sizeof *larger);
        if (!larger) abort();
        c->changed = larger;
    }
    const size_t size = strlen(path) + 1;
    c->changed[c->changed_count] = prog_alloc(size);
    memcpy(c->changed[c->changed_count++], path, size);
}

static void forget_again(keep_capture *c)
{
    for (size_t i = 0; i < c->again_count; i++) free(c->again[i]);
    c->again_count = 0;
}

bool keep_capture_is_due(const keep_capture *c) { return c->all || c->changed_count > 0; }

static int compare_paths(const void *a, const void *b)
{
    return versions_compare_paths(*(char *const *)a, *(char *const *)b);
}

/* Sort the noted paths in the order of a walk, and remove duplicates. */
static void sort_changes(keep_capture *c)
{
    size_t kept = 0;
    if (c->changed_count) qsort(c->changed, c->changed_count, sizeof *c->changed, compare_paths);
    for (size_t i = 0; i < c->changed_count; i++) {
        if (kept && !strcmp(c->changed[kept - 1], c->changed[i])) free(c->changed[i]);
        else c->changed[kept++] = c->changed[i];
    }
    c->changed_count = kept;
}

/* >>store --------------------------------------------------------------
   The path of the store is resolved once; after that the same store must be there. A commit to a
   store that was removed or renamed could not be found again, and a new store at the path belongs to
   somebody else. */
static int lose_store(keep_capture *c)
{
    const bool again = c->lost;
    c->lost = true;
    if (again) return PROG_SYSTEM; /* reported before */
    return prog_fail(PROG_SYSTEM, "the store %s was removed, renamed or replaced: nothing is "
                     "captured until it is back", c->o->store);
}

static void close_store(keep_capture *c)
{
    if (c->store) versions_store_close(c->store);
    c->store = NULL;
}

static void set_deltas(keep_capture *c)
{
    const keep_options *o = c->o;
    const int64_t from_ns = c->whole_from_ns ? c->whole_from_ns : INT64_MAX;
    const bool whole = o->whole || o->interval == 1;
    versions_store_hurry(c->store, whole ? 0 : from_ns, o->smallest);
    if (o->interval > 1) versions_store_set_chain(c->store, o->interval - 1);
    versions_store_set_paranoid(c->store, o->paranoid);
}

static int open_store(keep_capture *c)
{
    if (!c->store) {
        if (!c->mark) versions_store_wait(c->o->store, prog_now_ns() + KEEP_LOCK_NS);
        int status = versions_store_open(&c->store, c->o->store,
                                         c->mark ? VERSIONS_WRITE : VERSIONS_CREATE);
        if (status) c->store = NULL;
        if (status == PROG_NOT_FOUND && c->mark) return lose_store(c);
        if (status) return status;
        if (!c->mark) c->mark = versions_store_mark(c->store);
        if (c->mark < 0) {
            c->mark = 0;
            close_store(c);
            return prog_fail_errno("%s", c->o->store);
        }
        if (!versions_store_has_mark(c->store, c->mark)) close_store(c);
    }
    if (c->store) set_deltas(c);
    if (!c->store || !versions_store_in_place(c->store)) return lose_store(c);
    c->lost = false;
    return PROG_OK;
}

/* The noted paths and the stat cache describe the store that is closed here: forget them. */
static void drop_store(keep_capture *c)
{
    close_store(c);
    versions_stat_cache_close(c->seen);
    c->seen = NULL;
    c->all = true;
    forget_changes(c);
}

void keep_capture_close(keep_capture *c)
{
    drop_store(c);
    forget_again(c);
    if (c->mark > 0) os_close(c->mark);
    c->mark = 0;
    keep_torn_clear(&c->torn);
    versions_prints_close(c->prints);
    c->prints = NULL;
    free(c->changed);
    c->changed = NULL;
    c->changed_room = 0;
}

/* >>capture ------------------------------------------------------------ */
static void warn_of_torn(void *user, const char *path)
{
    keep_capture *c = user;
    if (c->repaired) { /* by the log of the database */
        c->repaired_count++;
        return;
    }
    if (c->gathers && c->again_count < KEEP_AGAIN_MAX) { /* the next read may find it at rest */
        char *copy = prog_alloc(strlen(path) + 1);
        c->again[c->again_count++] = strcpy(copy, path);
        return;
    }
    keep_torn_add(&c->torn, path);
    if (!c->o->quiet) prog_warn("%s changed during every read: the version has parts of it from "
                                "several moments", path);
}

uint64_t keep_capture_lacking(const keep_capture *c) { return c->closed + c->far; }

char *keep_capture_lacking_text(const keep_capture *c, char out[KEEP_LACKING_SIZE])
{
    char count[32];
    int at = 0;
    if (c->closed)
        at = snprintf(out, KEEP_LACKING_SIZE, "%s %s without read permission (the first is %s)",
                      prog_count_text(c->closed, count), c->closed == 1 ? "entry" : "entries", c->shut);
    if (c->far)
        at += snprintf(out + at, KEEP_LACKING_SIZE - (size_t)at,
                       "%s%s %s with a path of more than %d bytes or %d directories (the first is %s)",
                       c->closed ? " and " : "", prog_count_text(c->far, count), c->far == 1 ? "entry" : "entries",
                       PROG_PATH_SIZE_MAX, PROG_DEPTH_MAX, c->farthest);
    assert(at > 0 && at < KEEP_LACKING_SIZE);
    return out;
}

/* A partial read does not look at entries that earlier ones have left out. */
static void note_lacking(keep_capture *c, bool all)
{
    const versions_losses *lost = &c->found.lost;
    if (all || (!c->closed && lost->closed)) {
        c->closed = lost->closed;
        snprintf(c->shut, sizeof c->shut, "%s", lost->closed ? lost->shut : "");
    }
    if (all || (!c->far && lost->far)) {
        c->far = lost->far;
        snprintf(c->farthest, sizeof c->farthest, "%s", lost->far ? lost->farthest : "");
    }
}

static void warn_of_losses(keep_capture *c)
{
    const versions_losses *lost = &c->found.lost;
    char count[32];
    if (c->warned || c->o->quiet) return;
    c->warned = lost->xattrs || lost->sockets || lost->holes;
    if (lost->xattrs)
        prog_warn("not captured: %s extended attributes that are too large or cannot be read",
                  prog_count_text(lost->xattrs, count));
    if (lost->sockets)
        prog_warn("not captured: sockets (%s; the first is %s)", prog_count_text(lost->sockets, count),
                  lost->socket);
    if (lost->holes)
        prog_warn("not captured: holes (in %s files; they become zeros)",
                  prog_count_text(lost->holes, count));
}

/* Publish. last: a snapshot to compare with, which also supplies unchanged entries; or NULL. */
static int publish_since(keep_capture *c, const uint8_t *last, bool all,
                         versions_tree_publish_desc desc)
{
    const keep_options *o = c->o;
    if (c->gathers) forget_again(c); /* each is among the changed ones of this read */
    if (!desc.path) desc.path = o->directory;
    desc.name = o->directory;
    desc.seen = c->seen;
    desc.rules = &o->rules;
    desc.workers = o->workers;
    desc.omit = o->omit;
    /* A fingerprint would spare the comparison, too. */
    if (!c->prints && !c->o->paranoid) c->prints = versions_prints_open();
    desc.prints = c->prints;
    desc.torn = warn_of_torn;
    desc.torn_user = c;
    desc.last = last;
    if (c->aof) {
        desc.prefixes = c->aof->prefixes;
        desc.prefix_count = c->aof->prefix_count;
    }
    if (!all && !desc.changed) {
        assert(desc.last);
        desc.changed = (const char *const *)c->changed;
        desc.changed_count = c->changed_count;
    }
    const int64_t began_ns = prog_now_ns();
    const uint64_t deltas = versions_store_deltas(c->store);
    const int status = versions_tree_publish(c->store, &desc, &c->found);
    c->counted.reads++;
    c->counted.taken_ns += (uint64_t)(prog_now_ns() - began_ns);
    c->counted.bytes += c->found.read_bytes;
    c->counted.large_files += c->found.large_files;
    c->counted.chunks += c->found.chunks;
    c->counted.known_chunks += c->found.known_chunks;
    c->counted.deltas += versions_store_deltas(c->store) - deltas;
    if (all && !status) c->files = c->found.files;
    if (!status) note_lacking(c, all);
    return status;
}

static int publish(keep_capture *c, bool all)
{
    const bool based = c->has_last && c->last.snapshot;
    return publish_since(c, based ? c->last.root : NULL, all, (versions_tree_publish_desc){0});
}

/* Add the version, unless it equals the latest one. If this process captured that one as torn, and now
   finds the same content at one instant, a consistent version follows it. A torn version that was
   restored stays torn. */
static int add_version(keep_capture *c, unsigned mode, bool consistent)
{
    versions_version v = {.kind = PROG_TREE, .mode = mode, .snapshot = true, .size = c->found.size};
    if (!c->always && c->has_last && c->last.snapshot && c->last.mode == mode &&
        !memcmp(c->last.root, c->found.root, sizeof v.root) &&
        !(consistent && !c->last.consistent && c->own == c->last.version))
        return PROG_OK;
    snprintf(v.name, sizeof v.name, "%s", c->o->name);
    memcpy(v.root, c->found.root, sizeof v.root);
    v.content_ns = c->began_ns;
    v.consistent = consistent;
    v.torn = c->found.torn < UINT32_MAX ? (uint32_t)c->found.torn : UINT32_MAX;
    int status = versions_version_set(c->store, &v);
    /* The reasons come first, so that a version in the store has them, even after a kill. */
    if (!status && !consistent) (void)keep_torn_save(&c->torn, c->o->store, c->o->name, v.version);
    if (!status) status = versions_store_commit(c->store);
    if (status) return status;
    c->last = v;
    c->own = v.version;
    c->has_last = c->added = true;
    return PROG_OK;
}

/* The stat cache is only a hint: each use checks that the objects were committed (all_stored). */
static int read_all(keep_capture *c)
{
    versions_stat_cache_close(c->seen);
    c->seen = versions_stat_cache_open(versions_store_path(c->store), c->o->name);
    int status = publish(c, true);
    if (status) return status;
    versions_stat_cache_save(c->seen, c->found.root);
    versions_stat_cache_close(c->seen);
    c->seen = versions_stat_cache_open(versions_store_path(c->store), c->o->name);
    c->linked = c->found.linked;
    return PROG_OK;
}

/* No other process has written to the store since the last version was captured, so that version is
   still the latest, and all objects that it names exist. */
static int read_changes(keep_capture *c)
{
    sort_changes(c);
    if (!c->all && c->changed_count && !c->linked && c->has_last) {
        const int status = publish(c, false);
        if (status || !c->found.needs_all) return status;
    }
    return read_all(c);
}

/* >>instant --------------------------------------------------------------
   A version is consistent (of one instant) if nothing wrote to the directory between the first read
   and the last. As in live migration of a virtual machine, most is read beforehand:

       program   running .................... | stopped        | running
       capture   read all that has changed    | read the rest  | hash, compress, commit
                 ^ flush                        ^ flush        ^ flush: did anything else write?

   A change after the first flush is reported by the second, or is in a file that is mapped. A change
   that the third reports comes from a process that was not stopped: the version is torn. */
enum { ROUNDS_MAX = 3 };
#define SHORT_ROUND_NS INT64_C(50000000)

/* Note all changes until now. False: some of them are unknown. */
static bool note_changes(keep_capture *c)
{
    keep_torn_reason why = KEEP_TORN_EVENTS;
    const bool known = !c->flush || c->flush(c->flush_user, &why);
    if (!known || c->all) keep_torn_because(&c->torn, why);
    return known;
}

static void note_path(void *user, const char *path) { keep_capture_note(user, path); }

static const uint16_t pause_limits_ms[KEEP_PAUSES - 1] = KEEP_PAUSE_LIMITS_MS;

static void count_pause(keep_capture *c, int64_t since_ns)
{
    const uint64_t pause_ns = (uint64_t)(prog_now_ns() - since_ns);
    int i = 0;
    while (i < KEEP_PAUSES - 1 && pause_ns > pause_limits_ms[i] * UINT64_C(1000000)) i++;
    c->counted.pauses[i]++;
    c->counted.paused_ns += pause_ns;
    c->paused_ns += pause_ns;
}

/* --app: what else writes may go on, as it does not write to the data that is held. */
static void release(keep_capture *c, int64_t held_ns)
{
    if (!c->holder->pid) return;
    c->stray = !keep_release(c->holder, &c->torn);
    count_pause(c, held_ns);
}

static void thaw(keep_capture *c, int64_t frozen_ns)
{
    if (c->holder) {
        release(c, frozen_ns);
        return;
    }
    if (!c->freezer->active) return;
    const size_t noted = c->changed_count;
    const bool all = c->all;
    /* The capture has read every path in its list; paths noted by this flush are for the next one. */
    c->stray = !note_changes(c) || c->all != all || c->changed_count != noted;
    if (c->changed_count > noted) keep_torn_because(&c->torn, KEEP_TORN_WRITTEN);
    for (size_t i = noted; i < c->changed_count; i++) keep_torn_add(&c->torn, c->changed[i]);
    keep_thaw(c->freezer);
    count_pause(c, frozen_ns);
}

typedef struct instant {
    keep_capture *capture;
    int64_t       frozen_ns;  /* prog_now_ns() when the first process was stopped */
    int64_t       instant_ns; /* prog_time_ns() when the last one had stopped */
    int64_t       until_ns;   /* prog_now_ns() at which the read must end; 0: it did not begin */
    int64_t       began_ns;   /* and when it began */
    size_t        count;      /* paths that were left to read; and whether that was known to be 0 */
    bool          nothing;
    bool          missed;     /* the earlier reads missed an entry */
    bool          all;        /* some changes are not known: the next capture looks at everything */
    bool          reread;     /* what changed during the last round was read again */
} instant;

/* >>rate -----------------------------------------------------------------
   A file that is too large to be read within the limit would stop the program for the whole limit at each
   capture, for nothing. So a stop begins only if the files that it must read can be read in time at the
   fastest rate of the latest stops. A file may be in memory next time, and the disk less busy: once in a
   while it is tried all the same.

       capture   stop fails | none | stop fails | none none | stop fails | none none none none | ... */
enum { SKIP_MAX = 64, LOOK_MAX = 256 /* noted paths */ };
#define SMALL_BYTES UINT64_C(1000000) /* read within a millisecond or two: their rate says nothing */

/* late: the limit ended the read. */
static void learn_rate(keep_capture *c, int64_t taken_ns, bool late)
{
    const uint64_t bytes = c->found.taken_bytes, ns = taken_ns > 0 ? (uint64_t)taken_ns : 1;
    if (bytes < SMALL_BYTES && !late) return;
    c->rates[c->rate_count++ % KEEP_RATES] = (uint64_t)((double)bytes * 1e9 / (double)ns);
    if (!late && bytes >= c->late_bytes) c->skip_left = c->skip_next = 0;
    if (!late) return;
    c->late_bytes = bytes;
    c->skip_left = c->skip_next ? c->skip_next : 1;
    c->skip_next = 2 * c->skip_left < SKIP_MAX ? 2 * c->skip_left : SKIP_MAX;
}

/* Is no directory of the path left out, nor the file itself? */
static bool is_taken(const keep_capture *c, const char *path)
{
    char part[PROG_PATH_SIZE_MAX + 1];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (!versions_filter_takes(&c->o->rules, part, true)) return false;
    }
    return versions_filter_takes(&c->o->rules, path, false);
}

/* Bytes that a stop must read at least: of the noted files. */
static uint64_t least_bytes(const keep_capture *c)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    uint64_t total = 0;
    for (size_t i = 0; i < c->changed_count && i < LOOK_MAX; i++) {
        os_info info;
        const int n = snprintf(path, sizeof path, "%s/%s", c->o->directory, c->changed[i]);
        if (n < 0 || (size_t)n >= sizeof path || os_stat(path, false, &info) < 0) continue;
        if (info.kind == OS_FILE && !info.thin && is_taken(c, c->changed[i])) total += info.size;
    }
    return total;
}

static uint64_t stop_limit_ns(const keep_capture *c) { return c->holder ? c->o->app_ns : c->o->pause_ns; }

/* The best that the latest stops read, in bytes a second; 0: none was measured. */
static double best_rate(const keep_capture *c)
{
    uint64_t rate = 0;
    for (unsigned i = 0; i < KEEP_RATES && i < c->rate_count; i++)
        if (c->rates[i] > rate) rate = c->rates[i];
    return (double)rate;
}

/* Would a stop be for nothing, and is it not time to try one? */
static bool is_too_slow(keep_capture *c)
{
    if (!c->skip_left || !c->flush || c->clones.count) return false;
    sort_changes(c);
    const uint64_t bytes = least_bytes(c);
    return bytes > SMALL_BYTES && (double)bytes * 1e9 > best_rate(c) * (double)stop_limit_ns(c);
}

/* >>clones ---------------------------------------------------------------
   What cannot be read within the limit, or not be held, is cloned where the file system can, and read when
   the program runs again. A clone waits until the file's changes are on the disk, so they are written
   before the stop. */
#define FIRST_RATE 1e9 /* bytes a second, before one was measured */

static bool needs_clones(keep_capture *c)
{
    if (!c->clones.count) return false;
    sort_changes(c);
    const double rate = best_rate(c), bytes = (double)least_bytes(c);
    const double half_pause_s = (double)stop_limit_ns(c) / 2e9;
    return bytes > (double)c->o->held_max / 2 || bytes > (rate > 0 ? rate : FIRST_RATE) * half_pause_s;
}

static void prepare_clones(keep_capture *c)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    keep_torn_reason why;
    if (!c->clones.count || !c->flush || !c->flush(c->flush_user, &why) || c->all || !needs_clones(c)) return;
    for (size_t i = 0; i < c->changed_count && i < LOOK_MAX; i++) {
        os_info info;
        const int n = snprintf(path, sizeof path, "%s/%s", c->o->directory, c->changed[i]);
        if (n < 0 || (size_t)n >= sizeof path || os_stat(path, false, &info) < 0) continue;
        if (info.kind == OS_FILE && info.size >= VERSIONS_CLONE_MIN && is_taken(c, c->changed[i]))
            keep_clone_prepare(path);
    }
}

/* Instead of a stop: note what it would read, which may be too much. */
static bool skips_stop(keep_capture *c)
{
    keep_torn_reason why;
    if (c->whole_from_ns) return false; /* the last capture: there is no later one to wait for */
    if (!c->skip_left || !c->flush || !c->flush(c->flush_user, &why) || c->all || !is_too_slow(c)) return false;
    c->skip_left--;
    return true;
}

static void was_read(void *user, int status)
{
    instant *p = user;
    const bool late = p->until_ns && status == PROG_REFUSED && prog_now_ns() > p->until_ns;
    if (late) keep_torn_because(&p->capture->torn, KEEP_TORN_PAUSE);
    else if (p->until_ns && status == PROG_REFUSED) keep_torn_because(&p->capture->torn, KEEP_TORN_HELD);
    if (p->until_ns && (late || !status)) learn_rate(p->capture, prog_now_ns() - p->began_ns, late);
    thaw(p->capture, p->frozen_ns);
}

/* Bytes that were cut and hashed. */
static uint64_t fresh_bytes(const versions_published *found)
{
    return found->read_bytes > found->same_bytes ? found->read_bytes - found->same_bytes : 0;
}

static bool begin_freeze(instant *p)
{
    keep_capture *c = p->capture;
    if (!keep_freeze(c->freezer, prog_now_ns() + (int64_t)c->o->pause_ns)) {
        if (c->freezer->since_ns) count_pause(c, c->freezer->since_ns);
        keep_torn_because(&c->torn, c->freezer->why);
        return false;
    }
    p->frozen_ns = c->freezer->since_ns;
    p->instant_ns = prog_time_ns();
    return true;
}

static bool begin_hold(instant *p)
{
    keep_capture *c = p->capture;
    const int64_t began_ns = prog_now_ns();
    const bool held = keep_hold(c->holder, began_ns + (int64_t)c->o->app_ns, &c->torn);
    p->frozen_ns = prog_now_ns();
    if (!held) count_pause(c, began_ns);
    p->instant_ns = prog_time_ns();
    return held;
}

/* What is held is read in any case. Changes of other files that are not known are for the next capture. */
static bool note_held(instant *p)
{
    keep_capture *c = p->capture;
    keep_torn_reason why;
    if (c->flush) (void)c->flush(c->flush_user, &why);
    p->all = c->all;
    c->all = false;
    keep_hold_files(c->holder, note_path, c);
    if (c->all) keep_torn_because(&c->torn, KEEP_TORN_EVENTS);
    return !c->all;
}

/* Called by the read when its threads and memory are ready: stop the program, and find the rest
   to read. */
static int begin_stop(void *user, versions_tree_publish_desc *desc)
{
    instant *p = user;
    keep_capture *c = p->capture;
    prepare_clones(c);
    if (!(c->holder ? begin_hold(p) : begin_freeze(p))) return PROG_REFUSED;
    bool known = c->holder ? note_held(p) : note_changes(c);
    if (!c->holder && known && !keep_freezer_mapped(c->freezer, c->o->directory, note_path, c)) {
        keep_torn_because(&c->torn, KEEP_TORN_MAPPINGS);
        known = false;
    }
    sort_changes(c);
    desc->until_ns = p->frozen_ns + (int64_t)stop_limit_ns(c);
    const bool late = prog_now_ns() > desc->until_ns;
    if (late) keep_torn_because(&c->torn, KEEP_TORN_PAUSE);
    if (late || !known || c->all || c->linked || p->missed) return PROG_REFUSED;
    p->count = c->changed_count;
    p->nothing = !p->count;
    p->until_ns = p->nothing ? 0 : desc->until_ns;
    p->began_ns = prog_now_ns();
    desc->changed = (const char *const *)c->changed;
    desc->changed_count = p->count;
    if (!needs_clones(c)) desc->clone_count = 0;
    return p->nothing ? PROG_REFUSED : PROG_OK;
}

/* Remove the paths that were read from the list; those that were noted meanwhile stay. */
static void forget_read(keep_capture *c, size_t count)
{
    if (c->all) return; /* the list was dropped */
    for (size_t i = 0; i < count; i++) free(c->changed[i]);
    c->changed_count -= count;
    memmove(c->changed, c->changed + count, c->changed_count * sizeof *c->changed);
}

/* Stop the processes, and read what changed since the last read. *consistent: the whole version is
   of this instant. If the time is not enough, c->found keeps the result of the earlier reads. */
static int read_held(keep_capture *c, instant *p, bool *consistent)
{
    const versions_published before = c->found;
    uint8_t root[PROG_HASH_SIZE];
    memcpy(root, before.root, sizeof root);
    p->missed = before.missed > 0;
    p->nothing = false;
    p->until_ns = 0;
    c->stray = false;
    const versions_tree_publish_desc desc = {.begin = begin_stop, .read = was_read, .read_user = p,
                                             .held_max = c->o->held_max, .held_soon = c->held_soon,
                                             .clone_folders = c->clones.folders,
                                             .clone_count = c->clones.count};
    const int status = publish_since(c, root, false, desc);
    thaw(c, p->frozen_ns);
    if (!status && c->found.needs_all)
        keep_torn_because(&c->torn, c->found.linked ? KEEP_TORN_LINKED : KEEP_TORN_OWNER);
    if (status == PROG_REFUSED || (!status && c->found.needs_all)) {
        c->found = before;
        *consistent = p->nothing && !before.torn && !c->stray;
        if (*consistent) c->began_ns = p->instant_ns;
        return PROG_OK;
    }
    if (status) return status;
    p->reread = true;
    *consistent = !before.torn && !c->found.torn && !c->found.missed && !c->stray;
    if (*consistent) c->began_ns = p->instant_ns;
    c->held_soon = 2 * fresh_bytes(&c->found);
    c->found.torn += before.torn;
    c->found.files += before.files;
    c->found.read_files += before.read_files;
    forget_read(c, p->count);
    return PROG_OK;
}

static int read_stopped(keep_capture *c, instant *p, bool *consistent)
{
    p->all = false;
    const int status = read_held(c, p, consistent);
    if (p->all) keep_capture_note(c, "");
    return status;
}

/* Read while the program runs until little is left. *torn: files that the next read would not find
   at rest for certain. */
static int read_rounds(keep_capture *c, uint64_t *torn, uint64_t *bytes)
{
    *torn = *bytes = 0;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        const int64_t began = prog_now_ns();
        int status = read_changes(c);
        if (status) return status;
        assert(c->found.torn >= c->again_count);
        c->found.torn -= c->again_count;
        *torn += c->found.torn;
        *bytes += fresh_bytes(&c->found);
        forget_changes(c);
        c->all = false;
        /* Whether they are reported as changed or not. */
        for (size_t i = 0; i < c->again_count; i++) keep_capture_note(c, c->again[i]);
        if (c->found.missed) return PROG_OK;
        memcpy(c->last.root, c->found.root, sizeof c->last.root);
        c->last.snapshot = c->has_last = true;
        if (prog_now_ns() - began < SHORT_ROUND_NS || round + 1 == ROUNDS_MAX) break;
        keep_torn_reason why; /* the stop finds out whether all is known */
        if (!c->flush || !c->flush(c->flush_user, &why) || !c->changed_count) break;
    }
    return PROG_OK;
}

/* >>direct ---------------------------------------------------------------
   A round does not pay if the stop must read its files again: a database writes to all of its large
   files all the time. Then, and if little has changed, the changes are read once, while the program is
   stopped. Whether rounds pay is measured again after RELEARN captures without them. */
enum { RELEARN = 16 };

/* The bytes of the noted files; UINT64_MAX: unknown. */
static uint64_t size_changes(const keep_capture *c)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    uint64_t total = 0;
    if (c->changed_count > LOOK_MAX) return UINT64_MAX;
    for (size_t i = 0; i < c->changed_count; i++) {
        os_info info;
        const int n = snprintf(path, sizeof path, "%s/%s", c->o->directory, c->changed[i]);
        if (n < 0 || (size_t)n >= sizeof path) return UINT64_MAX;
        if (os_stat(path, false, &info) < 0) continue;
        if (info.kind == OS_FOLDER) return UINT64_MAX; /* all of it is looked at */
        if (info.kind == OS_FILE) total += info.size;
    }
    return total;
}

static bool may_read_directly(keep_capture *c)
{
    if (c->all || c->linked || !c->has_last || !c->last.snapshot || c->last.torn) return false;
    sort_changes(c);
    const uint64_t size = c->changed_count ? size_changes(c) : UINT64_MAX;
    if (size <= SMALL_BYTES) return true;
    if (is_too_slow(c)) return false;
    if (size > c->direct_max || c->direct_count == RELEARN) return false;
    c->direct_count++;
    return true;
}

/* Read the changes since the last version. *done: all of them were read. */
static int read_directly(keep_capture *c, instant *p, bool *consistent, bool *done)
{
    c->found = (versions_published){.size = c->last.size};
    memcpy(c->found.root, c->last.root, sizeof c->found.root);
    const int status = read_stopped(c, p, consistent);
    *done = p->reread;
    if (!*done) c->direct_max = 0;
    return status;
}

/* Note whether the rounds paid: rounds_bytes were read by them. */
static void learn(keep_capture *c, const instant *p, uint64_t rounds_bytes)
{
    const uint64_t again = p->reread ? fresh_bytes(&c->found) : 0;
    c->direct_max = again >= rounds_bytes / 2 ? 2 * rounds_bytes : 0;
    c->direct_count = 0;
}

/* Read, then stop the program, and read the rest. Files that changed during every read of the last
   round are read again then: under load a large file always changes while it is read. */
static int capture_instant(keep_capture *c, bool *consistent)
{
    instant p = {.capture = c};
    uint64_t torn = 0, bytes = 0;
    bool done = false;
    *consistent = false;
    if (may_read_directly(c)) {
        const int status = read_directly(c, &p, consistent, &done);
        if (status || done) return status;
        *consistent = false;
        keep_torn_clear(&c->torn); /* it does not matter why the first attempt failed */
    }
    c->gathers = true;
    int status = read_rounds(c, &torn, &bytes);
    c->gathers = false;
    if (!status && !c->found.missed && skips_stop(c)) {
        keep_torn_because(&c->torn, KEEP_TORN_PAUSE);
    } else if (!status && !c->found.missed) {
        status = read_stopped(c, &p, consistent);
        *consistent = *consistent && !torn;
        learn(c, &p, bytes);
    }
    if (!status && torn) keep_torn_because(&c->torn, KEEP_TORN_CHANGED);
    if (!status && !p.reread) {
        c->found.torn += c->again_count;
        for (size_t i = 0; i < c->again_count; i++) warn_of_torn(c, c->again[i]);
    }
    forget_again(c);
    return status;
}

/* >>backup ---------------------------------------------------------------
   --app postgres (app_postgres.h). What the server has committed before the stop is in the log, so the
   version is of that time. */
typedef struct paths {
    const char **list;
    size_t       count, room;
} paths;

static void add_path(void *user, const char *path)
{
    paths *p = user;
    if (p->count == p->room) {
        p->room = p->room * 2 + 64;
        const char **larger = realloc(p->list, p->room * sizeof *larger);
        if (!larger) abort();
        p->list = larger;
    }
    p->list[p->count++] = prog_copy_text(path);
}

/* Publish these paths on top of what was found so far. place: where they are; NULL: in the directory. */
static int publish_paths(keep_capture *c, const char *place, paths *p)
{
    const versions_published before = c->found;
    uint8_t root[PROG_HASH_SIZE];
    memcpy(root, before.root, sizeof root);
    const int status = publish_since(c, root, false, (versions_tree_publish_desc){
        .path = place, .changed = p->list, .changed_count = p->count});
    for (size_t i = 0; i < p->count; i++) free((char *)p->list[i]);
    free(p->list);
    c->found.torn += before.torn;
    c->found.missed += before.missed;
    c->found.files += before.files;
    c->found.read_files += before.read_files;
    c->found.linked |= before.linked;
    return status;
}

/* The server has ended the backup: add the log and the label. */
static int add_log(keep_capture *c, bool *consistent)
{
    paths log = {.list = NULL}, label = {.list = NULL};
    keep_backup_log_files(c->backup, add_path, &log);
    int status = publish_paths(c, NULL, &log);
    bool moved = !status && c->found.needs_all;
    if (status) return status;
    keep_backup_own_files(add_path, &label);
    status = publish_paths(c, c->backup->staging, &label);
    moved |= !status && c->found.needs_all;
    if (status) return status;
    if (moved) {
        keep_torn_because(&c->torn, c->found.linked ? KEEP_TORN_LINKED : KEEP_TORN_OWNER);
        c->found.needs_all = false;
    }
    *consistent = !moved && !c->found.missed && !c->found.torn &&
                  keep_backup_is_whole(c->backup, c->store, c->found.root, &c->torn);
    return PROG_OK;
}

/* Without a server the directory is at rest if it is the same when it is looked at again. */
static int read_again(keep_capture *c, bool *consistent)
{
    uint8_t root[PROG_HASH_SIZE];
    memcpy(root, c->found.root, sizeof root);
    const uint64_t read_files = c->found.read_files;
    const int status = read_all(c);
    if (status) return status;
    c->found.read_files += read_files;
    *consistent = keep_backup_is_at_rest(c->backup, &c->torn) && !c->found.torn && !c->found.missed;
    if (*consistent && memcmp(root, c->found.root, sizeof root) != 0)
        *consistent = keep_backup_fail(c->backup, &c->torn, "no server runs, but it changed during the capture");
    return PROG_OK;
}

/* Read while the backup goes on. Servers before 16 give a file of the log its next name by a link, for a moment. */
static int read_beside(keep_capture *c)
{
    enum { LOOKS_MAX_LINKED = 5 };
    c->repaired = true;
    int status = PROG_OK;
    for (int i = 0; !status && i < LOOKS_MAX_LINKED && (!i || c->linked); i++) {
        c->repaired_count = 0;
        status = i ? read_all(c) : read_changes(c);
    }
    c->repaired = false;
    if (status) return status;
    assert(c->found.torn >= c->repaired_count);
    c->found.torn -= c->repaired_count;
    return PROG_OK;
}

/* Is there nothing that forbids to call it consistent? */
static bool has_all(keep_capture *c)
{
    char text[KEEP_LACKING_SIZE];
    const bool lacks = keep_capture_lacking(c) != 0;
    if (c->linked) keep_torn_because(&c->torn, KEEP_TORN_LINKED);
    if (lacks) keep_backup_fail(c->backup, &c->torn, keep_capture_lacking_text(c, text));
    return !c->linked && !lacks;
}

/* *same: no version is needed. */
static int capture_backup(keep_capture *c, bool *consistent, bool *same)
{
    keep_torn_reason why;
    *consistent = false;
    const keep_backup_state state = keep_backup_begin(c->backup, &c->torn);
    if (state == KEEP_BACKUP_REFUSED) return PROG_REFUSED;
    *same = state == KEEP_BACKUP_SAME && c->has_last && c->own == c->last.version && c->last.consistent;
    if (*same) {
        c->found = (versions_published){.size = c->last.size};
        c->skipped = true; /* the changes so far, of which the log of the next version may know nothing */
        return PROG_OK;
    }
    if (c->skipped || (c->flush && !c->flush(c->flush_user, &why))) keep_capture_note(c, "");
    c->skipped = false;
    keep_backup_own_files(note_path, c); /* those of the last version are not in the directory */
    int status = state == KEEP_BACKUP_BEGUN ? read_beside(c) : read_changes(c);
    if (status) return status;
    if (state == KEEP_BACKUP_AT_REST) return read_again(c, consistent);
    if (state != KEEP_BACKUP_BEGUN || !has_all(c)) return PROG_OK;
    const int64_t stop_ns = prog_time_ns();
    if (!keep_backup_end(c->backup, &c->torn)) return PROG_OK;
    status = add_log(c, consistent);
    if (*consistent) c->began_ns = stop_ns;
    return status;
}

/* >>app ------------------------------------------------------------------
   Nothing is held: what was read is of one moment if the program replaced no file meanwhile. Else it is
   read again. What changed during every read is noted for the next one. */
#define APP_AGAIN_NS INT64_C(1000000)

/* The time of the version is before all that is found. */
static bool begin_app(keep_capture *c, int64_t until_ns)
{
    for (;;) {
        c->began_ns = prog_time_ns();
        if (keep_aof_begin(c->aof)) return true;
        if (!c->aof->passing || prog_now_ns() >= until_ns) return false;
        os_sleep_ns(APP_AGAIN_NS);
    }
}

/* One attempt, after which the next one reads only what changed. *whole: the program's files are of one
   moment. */
static int read_app(keep_capture *c, bool begun, bool *whole)
{
    keep_torn_reason why;
    *whole = false;
    if (c->flush) (void)c->flush(c->flush_user, &why);
    else keep_capture_note(c, "");
    if (begun) keep_aof_files(c->aof, note_path, c);
    c->gathers = true;
    const int status = read_changes(c);
    c->gathers = false;
    if (status) return status;
    *whole = begun && keep_aof_end(c->aof);
    assert(c->found.torn >= c->again_count);
    forget_changes(c);
    c->all = c->found.missed || c->found.torn > c->again_count;
    for (size_t i = 0; i < c->again_count; i++) keep_capture_note(c, c->again[i]);
    memcpy(c->last.root, c->found.root, sizeof c->last.root);
    c->last.snapshot = c->has_last = true;
    return PROG_OK;
}

/* The program's files are read until they are of one moment, others at most ROUNDS_MAX times. */
static int capture_app(keep_capture *c, bool *consistent)
{
    const int64_t until_ns = prog_now_ns() + (int64_t)c->o->app_ns;
    bool begun, whole;
    int status, round = 1;
    for (;; round++) {
        begun = begin_app(c, until_ns);
        status = read_app(c, begun, &whole);
        *consistent = !status && whole && !c->found.missed && !c->found.torn;
        if (status || !begun || *consistent || prog_now_ns() >= until_ns) break;
        if (whole && round >= ROUNDS_MAX) break;
    }
    for (size_t i = 0; !status && i < c->again_count; i++) warn_of_torn(c, c->again[i]);
    forget_again(c);
    if (*consistent) keep_aof_settle(c->aof);
    else if (!status && !whole) keep_aof_report(c->aof, &c->torn);
    return status;
}

static int capture(keep_capture *c, unsigned mode)
{
    bool consistent = c->still;
    int status = versions_version_find(c->store, c->o->name, 0, &c->last);
    if (status && status != PROG_NOT_FOUND) return status;
    c->has_last = !status;
    if (!c->has_last && (status = versions_name_check(c->o->name)) != PROG_OK) return status;
    const versions_version last = c->last;
    const bool has_last = c->has_last, stops = (c->freezer || c->holder) && !c->still;
    c->paused_ns = 0;
    if (stops) keep_clones_open(&c->clones, c->o->directory, c->o->store);
    bool same = false;
    if (c->backup) status = capture_backup(c, &consistent, &same);
    else if (c->aof) status = capture_app(c, &consistent);
    else status = stops ? capture_instant(c, &consistent) : read_changes(c);
    if (c->backup) keep_backup_clean(c->backup);
    keep_clones_close(&c->clones);
    c->last = last;
    c->has_last = has_last;
    c->gave_up = stops && !status && !consistent;
    if (!stops && !c->still && !c->backup && !c->aof) keep_torn_because(&c->torn, KEEP_TORN_NOT_STOPPED);
    if (!c->hooked) keep_torn_because(&c->torn, KEEP_TORN_HOOK);
    if (stops && c->linked) keep_torn_because(&c->torn, KEEP_TORN_LINKED);
    if (c->found.missed) keep_torn_because(&c->torn, KEEP_TORN_REPLACED);
    if (c->found.torn) keep_torn_because(&c->torn, KEEP_TORN_CHANGED);
    consistent = consistent && c->hooked && !c->found.torn && !c->found.missed;
    c->gave_up |= c->backup && !status && !same && !consistent;
    if (!stops && !status) {
        forget_changes(c);
        c->all = false;
    }
    return status || same ? status : add_version(c, mode, consistent);
}

/* If the first hook fails, the version is captured all the same but not marked consistent. The
   second hook always runs, so that it can undo the effects of the first. */
static int capture_between_hooks(keep_capture *c, unsigned mode)
{
    const keep_options *o = c->o;
    keep_torn_clear(&c->torn);
    c->hooked = !o->before_capture || keep_hook(o->before_capture, o->hook_ns, 0, false);
    c->began_ns = prog_time_ns();
    const int status = capture(c, mode);
    const bool known = !status && c->has_last;
    if (o->after_capture)
        (void)keep_hook(o->after_capture, o->hook_ns, known ? c->last.version : 0,
                        known && c->last.consistent);
    return status;
}

int keep_capture_now(keep_capture *c)
{
    os_info info;
    c->added = false;
    c->absent = os_stat(c->o->directory, true, &info) < 0 || info.kind != OS_FOLDER;
    if (c->absent) {
        forget_changes(c); /* once the directory exists again, everything in it is looked at */
        c->all = false;
        return PROG_NOT_FOUND;
    }
    int status = open_store(c);
    if (status) return status;
    const uint64_t before = versions_store_size(c->store);
    status = capture_between_hooks(c, info.mode);
    versions_store_rest(c->store);
    /* A version counts only if the store is still in place. The handle stays open: the
       store may return. */
    if (!status && !versions_store_in_place(c->store)) {
        c->added = false;
        c->all = true;
        return lose_store(c);
    }
    if (status) {
        drop_store(c); /* the appended objects are not committed: the next writer truncates them */
        return status;
    }
    c->grown = versions_store_size(c->store) - before;
    warn_of_losses(c);
    c->all |= c->found.missed > 0;
    return PROG_OK;
}

/* >>command ------------------------------------------------------------ */
void keep_capture_print(const keep_capture *c)
{
    char size[32], grown[32], read[32], files[32], when[40], torn[KEEP_TORN_LINE_SIZE];
    prog_json j;
    assert(c->has_last);
    if (c->o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", c->last.version);
        prog_json_flag(&j, "unchanged", !c->added);
        prog_json_time(&j, "time", c->last.time_ns);
        prog_json_number(&j, "size", c->last.size);
        prog_json_number(&j, "added", c->grown);
        prog_json_number(&j, "files", c->found.files);
        prog_json_number(&j, "files_read", c->found.read_files);
        prog_json_number(&j, "unreadable", keep_capture_lacking(c));
        prog_json_number(&j, "torn", c->found.torn);
        prog_json_flag(&j, "consistent", c->last.consistent);
        if (c->added && !c->last.consistent) keep_torn_json(&c->torn, &j);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(c->last.time_ns, when);
    prog_say("%llu %s: %s bytes, %s; %s of %s files were read\n",
             (unsigned long long)c->last.version, when, prog_count_text(c->last.size, size),
             c->added ? "captured" : "unchanged", prog_count_text(c->found.read_files, read),
             prog_count_text(c->found.files, files));
    if (!c->added) return;
    prog_say("the store grew by %s bytes; %s\n", prog_count_text(c->grown, grown),
             keep_torn_or_consistent(c->last.consistent, &c->torn, c->last.torn, torn));
}

/* A store is made if it is missing; the directory for it is not. */
static int check_parent(const keep_options *o, const char *consequence)
{
    char parent[PROG_PATH_SIZE_MAX + 1];
    os_info info;
    size_t size = strlen(o->store);
    if (os_stat(o->store, true, &info) == 0 || size > PROG_PATH_SIZE_MAX) return PROG_OK;
    memcpy(parent, o->store, size + 1);
    while (size > 1 && parent[size - 1] == '/') parent[--size] = 0;
    char *slash = strrchr(parent, '/');
    if (!slash) return PROG_OK;
    slash[slash == parent] = 0;
    if (os_stat(parent, true, &info) == 0 || errno != ENOENT) return PROG_OK; /* see open_store() */
    return prog_fail(PROG_NOT_FOUND, "%s: the directory for the store, %s, does not exist; %s", o->store,
                     parent, consequence);
}

/* Write a small file next to the log, and remove it: a disk that is full or read-only is found now, not
   at the first capture that has something to store, which may be hours later. */
static int probe(const keep_options *o, const char *consequence)
{
    static const char bytes[4096];
    char path[PROG_PATH_SIZE_MAX + 16];
    snprintf(path, sizeof path, "%s/probe", o->store);
    const int file = os_open_staging(path, false);
    if (file < 0 && errno == EWOULDBLOCK) return PROG_OK; /* another dxkeep tries it */
    bool writes = file >= 0 && os_write_at(file, 0, bytes, sizeof bytes) == 0 && os_sync(file) == 0;
    int error = errno;
    if (file >= 0 && os_drop_staging(file, path) < 0 && writes) {
        error = errno;
        writes = false;
    }
    if (writes) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "the store %s cannot be written: %s; %s", o->store,
                     os_error_text(error), consequence);
}

int keep_store_check(const keep_options *o, const char *consequence)
{
    const int status = check_parent(o, consequence);
    return status || !versions_store_is_at(o->store) ? status : probe(o, consequence);
}

void keep_apps_open(keep_apps *a, keep_capture *c)
{
    const keep_options *o = c->o;
    a->holder = (keep_holder){.directory = o->directory, .rules = &o->rules, .quiet = o->quiet};
    a->aof = (keep_aof){.directory = o->directory, .rules = &o->rules, .quiet = o->quiet};
    a->backup = (keep_backup){.directory = o->directory, .store = o->store, .connect = o->app_connect,
                              .limit_ns = o->app_ns, .quiet = o->quiet};
    if (keep_app_is_backup(o->app)) c->backup = &a->backup;
    else if (keep_app_is_aof(o->app)) c->aof = &a->aof;
    else if (o->app) c->holder = &a->holder;
}

void keep_apps_close(keep_apps *a)
{
    keep_backup_close(&a->backup);
    keep_holder_close(&a->holder);
    keep_aof_close(&a->aof);
}

int keep_capture_once(const keep_options *o)
{
    keep_apps apps;
    keep_capture c = {.o = o, .all = true};
    keep_apps_open(&apps, &c);
    int status = keep_in_place_recover(o->directory);
    if (!status) status = check_parent(o, "nothing was captured");
    if (status) return status;
    do {
        status = keep_capture_now(&c);
    } while (!status && c.all && c.added);
    if (status && c.absent) status = prog_fail(status, "%s: no such directory", o->directory);
    if (!status && !o->quiet) keep_capture_print(&c);
    if (!status) versions_store_save_index(c.store);
    if (!status && keep_capture_lacking(&c)) {
        char text[KEEP_LACKING_SIZE];
        status = prog_fail(PROG_SYSTEM, "not captured: %s", keep_capture_lacking_text(&c, text));
    }
    keep_capture_close(&c);
    keep_apps_close(&apps);
    return status;
}
