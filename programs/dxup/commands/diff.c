/* dxup diff: the differences between two versions, and the cost of a pull from one to the other.
   Entries of both are sorted by path and merged:

       A   a  b     d           a: in both; type, mode, content and other metadata are compared
           |  |                 b: removed, or renamed to an added file with equal content
       B   a     c  d           c: added

   Times are not compared. The store is only read. */
#include "commands.h"
#include "names.h"

#include "../net/patches.h"
#include "../../containers/container.h"
#include "../net/price.h"
#include "../net/wire.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/show.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PULL_EXTRA = 300 }; /* bytes on the wire, beyond the file or patch, of a pull of a file */

typedef struct item {
    char    *path;
    int      type;
    unsigned mode;
    uint64_t size;
    uint8_t  key[PROG_HASH_SIZE]; /* equal if the contents are */
    uint8_t  extra[PROG_HASH_SIZE]; /* the same for owner, extended attributes, holes and so on */
    const struct item *other;     /* for a rename: the old or the new item */
} item;

/* One of the two versions. */
typedef struct side {
    versions_version version;
    item            *items;
    size_t           count;
    size_t           room;
} side;

typedef struct diff {
    versions_store     *store;
    const dxup_options *o;
    side                from;
    side                to;
    bool                by_id; /* both are snapshots: compare contents by their ids */
    uint64_t            added;
    uint64_t            removed;
    uint64_t            changed;
    uint64_t            renamed;
} diff;

/* >>entries ------------------------------------------------------------ */
/* The context of versions_entries_visit(). */
typedef struct reading {
    diff *d;
    side *s;
} reading;

static int hash_bytes(void *user, const void *bytes, size_t size)
{
    dx_cas_blake3_update(user, bytes, size);
    return PROG_OK;
}

static int make_key(const diff *d, const side *s, const versions_entry *e,
                    uint8_t key[PROG_HASH_SIZE])
{
    dx_cas_blake3 hasher;
    int status = PROG_OK;
    dx_cas_blake3_init(&hasher);
    if (e->type != DX_TREE_FILE && e->type != DX_TREE_LINK) {
        memset(key, 0, PROG_HASH_SIZE); /* no content */
        return PROG_OK;
    }
    if (d->by_id && e->node->level != DX_TREE_INLINE) {
        dx_cas_blake3_update(&hasher, &e->node->level, 1);
        dx_cas_blake3_update(&hasher, e->node->id, sizeof e->node->id);
    } else {
        status = versions_entry_stream(d->store, &s->version, e, hash_bytes, &hasher);
    }
    dx_cas_blake3_final(&hasher, key, PROG_HASH_SIZE);
    return status;
}

static void hash_extra(const dx_tree_entry *node, uint8_t key[PROG_HASH_SIZE])
{
    dx_cas_blake3 hasher;
    dx_cas_blake3_init(&hasher);
    dx_cas_blake3_update(&hasher, node->extra, node->extra_size);
    dx_cas_blake3_final(&hasher, key, PROG_HASH_SIZE);
}

static int add_entry(void *user, const versions_entry *e)
{
    const reading *r = user;
    side *s = r->s;
    if (s->count == s->room) {
        s->room = s->room * 2 + 64;
        s->items = realloc(s->items, s->room * sizeof *s->items);
        if (!s->items) abort();
    }
    item *i = &s->items[s->count++];
    memset(i, 0, sizeof *i);
    i->path = prog_alloc(strlen(e->path) + 1);
    strcpy(i->path, e->path);
    i->type = e->type;
    i->mode = e->mode;
    i->size = e->size;
    if (r->d->by_id) hash_extra(e->node, i->extra);
    return make_key(r->d, s, e, i->key);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const item *)a)->path, ((const item *)b)->path);
}

/* Read the entries of a tree; a file is one entry, under its name. */
static int read_side(diff *d, side *s)
{
    reading r = {d, s};
    const versions_version *v = &s->version;
    if (v->kind == PROG_TREE) {
        int status = versions_entries_visit(d->store, v, "", VERSIONS_ENTRIES_ALL, add_entry, &r);
        if (s->count) qsort(s->items, s->count, sizeof *s->items, by_path);
        return status;
    }
    s->items = prog_alloc(sizeof *s->items);
    s->count = 1;
    *s->items = (item){.type = DX_TREE_FILE, .mode = v->mode, .size = v->size};
    s->items->path = prog_alloc(sizeof v->name);
    memcpy(s->items->path, v->name, sizeof v->name);
    memcpy(s->items->key, v->hash, PROG_HASH_SIZE);
    return PROG_OK;
}

static void free_side(side *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->items[i].path);
    free(s->items);
}

/* >>renames ------------------------------------------------------------
   Files that exist on one side only are sorted by key and paired. */
static int by_key(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    int order = memcmp(x->key, y->key, PROG_HASH_SIZE);
    return order ? order : strcmp(x->path, y->path);
}

/* The non-empty files whose paths the other side lacks, sorted by key. */
static item **list_single(side *s, const side *other, size_t *count)
{
    item **list = prog_alloc((s->count + 1) * sizeof *list);
    *count = 0;
    for (size_t i = 0; i < s->count; i++) {
        item *one = &s->items[i];
        if (one->type != DX_TREE_FILE || !one->size || !other->count) continue;
        if (bsearch(one, other->items, other->count, sizeof *one, by_path)) continue;
        list[(*count)++] = one;
    }
    if (*count) qsort(list, *count, sizeof *list, by_key);
    return list;
}

static void find_renames(diff *d)
{
    size_t from_count, to_count;
    item **from = list_single(&d->from, &d->to, &from_count);
    item **to = list_single(&d->to, &d->from, &to_count);
    for (size_t i = 0, k = 0; i < from_count && k < to_count;) {
        int order = memcmp(from[i]->key, to[k]->key, PROG_HASH_SIZE);
        if (!order) {
            from[i]->other = to[k];
            to[k]->other = from[i];
        }
        i += order <= 0;
        k += order >= 0;
    }
    free(from);
    free(to);
}

/* >>changes ------------------------------------------------------------ */
static bool has_same_extra(const item *a, const item *b)
{
    return !memcmp(a->extra, b->extra, PROG_HASH_SIZE);
}

/* was or is may be NULL: the item was added, or removed. */
static void print_change(const diff *d, const char *change, const item *was, const item *is)
{
    const item *one = is ? is : was;
    const bool moved = was && is && strcmp(was->path, is->path) != 0;
    const bool other_size = was && is && was->size != is->size;
    char before[32] = "", size[32] = "", mode[8] = "", mode_before[8] = "";
    prog_json j;
    snprintf(mode, sizeof mode, "%04o", one->mode & 07777);
    snprintf(mode_before, sizeof mode_before, "%04o", was ? was->mode & 07777 : 0);
    if (d->o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "change", change);
        prog_json_text(&j, "path", one->path);
        if (moved) prog_json_text(&j, "from", was->path);
        prog_json_text(&j, "type", versions_type_name(one->type));
        if (was) prog_json_number(&j, "size_before", was->size);
        if (is) prog_json_number(&j, "size", is->size);
        if (was && was->mode != one->mode) prog_json_text(&j, "mode_before", mode_before);
        if (!was || was->mode != one->mode) prog_json_text(&j, "mode", mode);
        if (was && is) prog_json_flag(&j, "attributes", !has_same_extra(was, is));
        prog_json_end(&j);
        return;
    }
    prog_colour(!was ? PROG_GREEN : !is ? PROG_RED : PROG_YELLOW);
    prog_say("%-8s", change);
    prog_colour(PROG_PLAIN);
    prog_count_text(one->size, size);
    if (other_size) prog_count_text(was->size, before);
    prog_say("  %s%s%s%s  (%s%s%s", moved ? was->path : "", moved ? " -> " : "", one->path,
             one->type == DX_TREE_DIR ? "/" : "", before, other_size ? " to " : "",
             one->type == DX_TREE_DIR ? "directory" : size);
    if (was && is && !has_same_extra(was, is)) prog_say(", attributes");
    if (was && is && was->mode != is->mode) prog_say(", mode %s to %s", mode_before, mode);
    prog_say(")\n");
}

static bool is_same(const item *a, const item *b)
{
    return a->type == b->type && a->mode == b->mode && a->size == b->size &&
           !memcmp(a->key, b->key, PROG_HASH_SIZE) && has_same_extra(a, b);
}

/* Print an item that only one side has. */
static void print_single(diff *d, const item *was, const item *is)
{
    if (is && is->other) {
        d->renamed++;
        print_change(d, "renamed", is->other, is);
    } else if (is) {
        d->added++;
        print_change(d, "added", NULL, is);
    } else if (!was->other) {
        d->removed++;
        print_change(d, "removed", was, NULL);
    }
}

/* The merge order: below 0 was comes first, above 0 is; 0: they are the same entry. */
static int order_of(const diff *d, const item *was, const item *is)
{
    const int from = d->from.version.kind, to = d->to.version.kind;
    if (!was || !is) return was ? -1 : 1;
    if (from != to) return -1; /* a file was replaced by a tree, or a tree by a file */
    return from == PROG_FILE ? 0 : strcmp(was->path, is->path);
}

static void print_changes(diff *d)
{
    const item *was = d->from.items, *was_end = was + d->from.count;
    const item *is = d->to.items, *is_end = is + d->to.count;
    while (was < was_end || is < is_end) {
        int order = order_of(d, was < was_end ? was : NULL, is < is_end ? is : NULL);
        if (order < 0) print_single(d, was, NULL);
        else if (order > 0) print_single(d, NULL, is);
        else if (!is_same(was, is)) {
            d->changed++;
            print_change(d, "changed", was, is);
        }
        was += order <= 0;
        is += order >= 0;
    }
}

/* >>cost --------------------------------------------------------------- */
/* Wakes the thread that waits for a patch. */
typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t  done;
    bool            ready;
} waiter;

static void wake(void *user)
{
    waiter *w = user;
    pthread_mutex_lock(&w->lock);
    w->ready = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

/* Measure a pull of a snapshot, which fetches objects. */
static int measure_objects(diff *d, uint64_t *size, const char **what)
{
    const uint8_t *from = d->by_id ? d->from.version.root : NULL;
    const int status = dxup_price(d->store, from, d->to.version.root, d->o->patch_max, size);
    *what = !from ? "whole" : *size ? "patch" : "unchanged";
    return status;
}

static int describe_file(diff *d, const versions_version *v, dx_tree_entry *file)
{
    memset(file, 0, sizeof *file);
    file->type = DX_TREE_FILE;
    file->size = v->size;
    memcpy(file->id, v->root, sizeof file->id);
    return versions_content_level(d->store, v, &file->level);
}

/* Measure a pull of a file without a patch. */
static int measure_file(diff *d, uint64_t *size, const char **what)
{
    const versions_version *from = &d->from.version, *to = &d->to.version;
    const bool updates = from->kind == PROG_FILE && from->size;
    dx_tree_entry old, file;
    bool reused = false;
    *what = "whole";
    *size = PULL_EXTRA + to->size;
    if (!VERSIONS_HAS_SNAPSHOTS || to->kind != PROG_FILE || to->size < DXUP_OBJECTS_FROM) return PROG_OK;
    int status = updates ? describe_file(d, from, &old) : PROG_OK;
    if (!status) status = describe_file(d, to, &file);
    if (!status) status = dxup_price_file(d->store, updates ? &old : NULL, &file, size, &reused);
    if (reused) *what = "patch";
    return status;
}

/* Measure what `dxup serve` would send: *size bytes, *what is their kind. */
static int measure_pull(diff *d, uint64_t *size, const char **what)
{
    if (VERSIONS_HAS_SNAPSHOTS && d->to.version.snapshot) return measure_objects(d, size, what);
    waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    dxup_patches *patches;
    dxup_patch patch;
    enum dxup_patch_answer answer;
    int status = versions_content_hash(d->store, &d->from.version);
    if (!status) status = versions_content_hash(d->store, &d->to.version);
    *size = 0;
    *what = "unchanged";
    if (status || !memcmp(d->from.version.hash, d->to.version.hash, PROG_HASH_SIZE)) return status;
    if (d->to.version.kind == PROG_FILE &&
        (d->from.version.kind != PROG_FILE || d->from.version.size > d->o->patch_max ||
         d->to.version.size > d->o->patch_max))
        return measure_file(d, size, what); /* as serve does */
    status = dxup_patches_start(&patches, d->o->store, d->o->patch_max, wake, &w);
    if (status) return status;
    while ((answer = dxup_patches_get(patches, &d->from.version, &d->to.version, container_kinds(),
                                      &patch)) == DXUP_PATCH_PENDING) {
        pthread_mutex_lock(&w.lock);
        while (!w.ready) pthread_cond_wait(&w.done, &w.lock);
        w.ready = false;
        pthread_mutex_unlock(&w.lock);
    }
    const bool patched = answer == DXUP_PATCH_READY;
    *what = "patch";
    *size = PULL_EXTRA + (patched ? patch.size : 0);
    if (patched) dxup_patches_release(patches, &patch);
    dxup_patches_stop(patches);
    return patched ? PROG_OK : measure_file(d, size, what);
}

static void print_json(const diff *d, uint64_t size, const char *what)
{
    prog_json j;
    prog_json_begin(&j);
    prog_json_number(&j, "from", d->from.version.version);
    prog_json_number(&j, "to", d->to.version.version);
    prog_json_number(&j, "added", d->added);
    prog_json_number(&j, "removed", d->removed);
    prog_json_number(&j, "changed", d->changed);
    prog_json_number(&j, "renamed", d->renamed);
    prog_json_number(&j, "size_before", d->from.version.size);
    prog_json_number(&j, "size", d->to.version.size);
    if (what) prog_json_text(&j, "pull", what);
    if (what) prog_json_number(&j, "pull_size", size);
    prog_json_end(&j);
}

static int print_summary(diff *d)
{
    const versions_version *from = &d->from.version, *to = &d->to.version;
    uint64_t size = 0;
    const char *what = NULL;
    char numbers[4][32], sizes[3][32];
    int status = d->o->no_cost ? PROG_OK : measure_pull(d, &size, &what);
    if (status) return status;
    if (d->o->json) {
        print_json(d, size, what);
        return PROG_OK;
    }
    prog_say("%s@%llu to %s@%llu: %s added, %s removed, %s changed, %s renamed; %s to %s bytes",
             from->name, (unsigned long long)from->version, to->name,
             (unsigned long long)to->version, prog_count_text(d->added, numbers[0]),
             prog_count_text(d->removed, numbers[1]), prog_count_text(d->changed, numbers[2]),
             prog_count_text(d->renamed, numbers[3]), prog_count_text(from->size, sizes[0]),
             prog_count_text(to->size, sizes[1]));
    if (what)
        prog_say("; a pull transfers %s bytes (%s)", prog_count_text(size, sizes[2]), what);
    prog_say("\n");
    return PROG_OK;
}

/* >>diff --------------------------------------------------------------- */
static int compare(diff *d)
{
    int status = dxup_find(d->store, d->o->name, &d->from.version);
    if (!status) status = dxup_find(d->store, d->o->third, &d->to.version);
    if (status) return status;
    d->by_id = d->from.version.snapshot && d->to.version.snapshot;
    status = read_side(d, &d->from);
    if (!status) status = read_side(d, &d->to);
    if (status) return status;
    if (d->from.version.kind == PROG_TREE && d->to.version.kind == PROG_TREE) find_renames(d);
    print_changes(d);
    return print_summary(d);
}

int dxup_diff(const dxup_options *o)
{
    diff *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    d->o = o;
    int status = versions_store_open(&d->store, o->store, VERSIONS_READ);
    if (!status) {
        status = compare(d);
        free_side(&d->from);
        free_side(&d->to);
        versions_store_close(d->store);
    }
    free(d);
    return status;
}
