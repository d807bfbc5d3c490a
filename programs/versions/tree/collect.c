/* Compaction of a store. See collect.h.

   versions_store_replace() copies everything that dx_cas can reach from the names: the chunks and
   nodes of files. It cannot parse snapshots, so their objects are copied first. With `pack` the chunks
   of files are recompressed and copied first, too; versions_store_replace() then finds them in the
   successor.

       list the roots of kept snapshots -> step, step, ... -> roots of newer versions -> replace

   After a crash at any moment before the last step, the store is unchanged. */
#include "collect.h"

#include "../store/copy.h"
#include "content.h"
#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A status of visit(), private: the time of this step is over. */
enum { LATER = -1 };

struct versions_collector {
    versions_store  *from;
    versions_store  *to;
    versions_copier *copier;
    versions_known   known; /* directories visited before; versions share most of theirs */
    versions_known   listed; /* roots that are or were in `roots` */
    versions_keep    keep;
    bool             pack;
    uint8_t        (*roots)[PROG_HASH_SIZE];
    size_t           at, count, room;
    int64_t          until_ns;
    bool             moved; /* an object was copied in this step */
};

/* Called for each object of a snapshot. */
static int copy_object(void *user, const uint8_t id[PROG_HASH_SIZE])
{
    versions_collector *c = user;
    assert(c->to);
    if (versions_object_has(c->to, id, 0)) return PROG_OK;
    if (c->moved && prog_now_ns() >= c->until_ns) return LATER;
    prog_progress("collecting", versions_store_size(c->to), 0, false);
    c->moved = true;
    return versions_copier_copy(c->copier, id);
}

/* Copy the chunks of a file; dx_cas copies its nodes. */
static int repack_file(versions_collector *c, const versions_version *v)
{
    versions_content *content;
    uint8_t id[PROG_HASH_SIZE];
    uint64_t start, size = 0;
    assert(!v->snapshot && c->pack);
    int status = versions_content_open(&content, c->from, v);
    if (status) return status;
    for (uint64_t at = 0; !status && at < v->size; at = start + size) {
        status = versions_content_chunk(content, at, id, &start, &size);
        if (!status && size <= VERSIONS_OBJECT_MAX) status = copy_object(c, id);
    }
    versions_content_close(content);
    return status;
}

static void add_root(versions_collector *c, const uint8_t root[PROG_HASH_SIZE])
{
    if (!versions_known_put(&c->listed, root)) return;
    if (c->count == c->room) {
        c->room = c->room * 2 + 64;
        c->roots = realloc(c->roots, c->room * sizeof *c->roots);
        if (!c->roots) abort();
    }
    memcpy(c->roots[c->count++], root, PROG_HASH_SIZE);
}

/* List the versions of a name, newest first: older ones become deltas of it. */
static int list_name(versions_collector *c, const char *name)
{
    versions_history history = {.begun = false};
    versions_version v;
    uint64_t latest = 0;
    int status;
    while (!(status = versions_history_next(&history, c->from, name, &v))) {
        int copied = PROG_OK;
        if (!latest) latest = v.version;
        if (v.version != latest && c->keep.fn && !c->keep.fn(c->keep.user, name, v.version)) continue;
        if (v.snapshot) add_root(c, v.root);
        else if (c->pack) copied = repack_file(c, &v);
        if (copied) return copied;
    }
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

/* List the roots that are not listed yet. */
static int list_all(versions_collector *c)
{
    versions_version *list;
    size_t count;
    c->until_ns = INT64_MAX; /* files are repacked at once */
    int status = versions_version_list(c->from, &list, &count);
    for (size_t i = 0; !status && i < count; i++) status = list_name(c, list[i].name);
    free(list);
    return status;
}

static void dispose(versions_collector *c)
{
    prog_progress(NULL, 0, 0, true);
    versions_known_free(&c->known);
    versions_known_free(&c->listed);
    versions_copier_close(c->copier);
    versions_store_close(c->from);
    free(c->roots);
    free(c);
}

int versions_collector_open(versions_collector **out, versions_store *s, bool pack,
                            const versions_keep *keep)
{
    versions_store *successor;
    int status = versions_store_successor_open(s, &successor);
    if (status) return status;
    versions_collector *c = prog_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    versions_store_hold(s);
    c->from = s;
    c->to = successor;
    c->keep = *keep;
    c->pack = pack;
    c->copier = versions_copier_open(s, successor, pack);
    status = list_all(c);
    if (status) versions_collector_drop(c);
    else *out = c;
    return status;
}

int versions_collector_step(versions_collector *c, int64_t until_ns, bool *done)
{
    int status = PROG_OK;
    c->until_ns = until_ns;
    c->moved = false;
    while (!status && c->at < c->count) {
        status = versions_snapshot_visit(c->from, c->roots[c->at], &c->known, copy_object, c);
        c->at += !status;
        if (c->moved && prog_now_ns() >= until_ns) break;
    }
    *done = !status && c->at == c->count;
    return status == LATER ? PROG_OK : status;
}

int versions_collector_finish(versions_collector *c, uint64_t *size)
{
    bool done;
    int status = list_all(c);
    if (!status) status = versions_collector_step(c, INT64_MAX, &done);
    if (status) {
        versions_collector_drop(c);
        return status;
    }
    status = versions_store_replace(c->from, c->to, &c->keep, size);
    dispose(c);
    return status;
}

void versions_collector_drop(versions_collector *c)
{
    versions_store_successor_drop(c->to);
    dispose(c);
}

/* >>count -------------------------------------------------------------- */
typedef struct counting {
    versions_store *store;
    versions_known  objects;
    versions_known  folders;
    uint64_t        bytes;
} counting;

/* An object, and what its delta needs. */
static int count_object(void *user, const uint8_t id[PROG_HASH_SIZE])
{
    counting *c = user;
    uint8_t one[PROG_HASH_SIZE];
    uint64_t size = 0;
    memcpy(one, id, sizeof one);
    while (versions_known_put(&c->objects, one)) {
        if (versions_object_size(c->store, one, &size)) c->bytes += size;
        if (!versions_object_base(c->store, one, one)) break;
    }
    return PROG_OK;
}

int versions_unused(versions_store *s, uint64_t *bytes, bool *counted)
{
    counting c = {.store = s};
    versions_version *list, v;
    size_t count;
    int status = versions_version_list(s, &list, &count);
    *counted = true;
    for (size_t i = 0; !status && i < count; i++) {
        versions_history history = {.begun = false};
        while (!status && !(status = versions_history_next(&history, s, list[i].name, &v))) {
            *counted = *counted && v.snapshot;
            if (v.snapshot)
                status = versions_snapshot_visit(s, v.root, &c.folders, count_object, &c);
        }
        if (status == PROG_NOT_FOUND) status = PROG_OK;
    }
    const uint64_t all = versions_store_content(s);
    *bytes = all > c.bytes ? all - c.bytes : 0;
    versions_known_free(&c.objects);
    versions_known_free(&c.folders);
    free(list);
    return status;
}
