/* dxup diff: the differences between two versions, and the cost of a pull from one to the other. The
   store is only read. */
#include "commands.h"
#include "names.h"

#include "../net/patches.h"
#include "../../containers/container.h"
#include "../net/price.h"
#include "../../sync/wire.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/diff.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PULL_EXTRA = 300 }; /* bytes on the wire, beyond the file or patch, of a pull of a file */

typedef struct diff {
    versions_store     *store;
    const dxup_options *o;
    versions_version    from;
    versions_version    to;
    versions_diff       found;
} diff;

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
    const uint8_t *from = d->from.snapshot ? d->from.root : NULL;
    const int status = dxup_price(d->store, from, d->to.root, d->o->patch_max, size);
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
    const versions_version *from = &d->from, *to = &d->to;
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
    if (VERSIONS_HAS_SNAPSHOTS && d->to.snapshot) return measure_objects(d, size, what);
    waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    dxup_patches *patches;
    dxup_patch patch;
    enum dxup_patch_answer answer;
    int status = versions_content_hash(d->store, &d->from);
    if (!status) status = versions_content_hash(d->store, &d->to);
    *size = 0;
    *what = "unchanged";
    if (status || !memcmp(d->from.hash, d->to.hash, PROG_HASH_SIZE)) return status;
    if (d->to.kind == PROG_FILE &&
        (d->from.kind != PROG_FILE || d->from.size > d->o->patch_max ||
         d->to.size > d->o->patch_max))
        return measure_file(d, size, what); /* as serve does */
    status = dxup_patches_start(&patches, d->o->store, d->o->patch_max, wake, &w);
    if (status) return status;
    while ((answer = dxup_patches_get(patches, &d->from, &d->to, container_kinds(),
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
    prog_json_number(&j, "from", d->from.version);
    prog_json_number(&j, "to", d->to.version);
    prog_json_number(&j, "added", d->found.added);
    prog_json_number(&j, "removed", d->found.removed);
    prog_json_number(&j, "changed", d->found.changed);
    prog_json_number(&j, "renamed", d->found.renamed);
    prog_json_number(&j, "size_before", d->from.size);
    prog_json_number(&j, "size", d->to.size);
    if (what) prog_json_text(&j, "pull", what);
    if (what) prog_json_number(&j, "pull_size", size);
    prog_json_end(&j);
}

static int print_summary(diff *d)
{
    const versions_version *from = &d->from, *to = &d->to;
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
             (unsigned long long)to->version, prog_count_text(d->found.added, numbers[0]),
             prog_count_text(d->found.removed, numbers[1]), prog_count_text(d->found.changed, numbers[2]),
             prog_count_text(d->found.renamed, numbers[3]), prog_count_text(from->size, sizes[0]),
             prog_count_text(to->size, sizes[1]));
    if (what)
        prog_say("; a pull transfers %s bytes (%s)", prog_count_text(size, sizes[2]), what);
    prog_say("\n");
    return PROG_OK;
}

/* >>diff --------------------------------------------------------------- */
static int compare(diff *d)
{
    int status = dxup_find(d->store, d->o->name, &d->from);
    if (!status) status = dxup_find(d->store, d->o->third, &d->to);
    if (!status) status = versions_diff_print(d->store, &d->from, &d->to, d->o->json, &d->found);
    return status ? status : print_summary(d);
}

int dxup_diff(const dxup_options *o)
{
    diff *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    d->o = o;
    int status = versions_store_open(&d->store, o->store, VERSIONS_READ);
    if (!status) {
        status = compare(d);
        versions_store_close(d->store);
    }
    free(d);
    return status;
}
