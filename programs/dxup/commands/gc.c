/* dxup gc: removes old versions and reclaims their space. It copies everything reachable from the
   remaining versions into a new store file, the successor, and replaces the old file atomically:

       trim names -> open successor -> copy objects -> versions_store_replace() (the commit)

   After a crash at any moment before the last step, the store is unchanged. */
#include "commands.h"

#include "../../common/json.h"
#include "../../versions/store/copy.h"
#include "../../versions/store/store.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/tree.h"

#include <assert.h>
#include <stdlib.h>

/* Remove all but the last `keep` versions of each name; 0: remove none. */
static int trim_names(versions_store *s, uint64_t keep)
{
    versions_version *list;
    size_t count;
    if (!keep) return PROG_OK;
    int status = versions_version_list(s, &list, &count);
    for (size_t i = 0; !status && i < count; i++)
        if (list[i].version > keep)
            status = versions_version_trim(s, list[i].name, list[i].version - keep + 1);
    free(list);
    return status ? status : versions_store_commit(s);
}

/* >>copy ---------------------------------------------------------------
   versions_store_replace() copies everything that dx_cas can reach from the names: the chunks and
   nodes of files. It cannot parse snapshots, so their objects are copied first. With --pack the chunks
   of files are recompressed and copied first, too; versions_store_replace() then finds them in the
   successor. */
typedef struct copy {
    versions_store  *from;
    versions_store  *to;
    versions_copier *copier;
    versions_known   known; /* directories visited before; versions share most of theirs */
    bool             pack;
} copy;

/* Called for each object of a snapshot. */
static int copy_object(void *user, const uint8_t id[PROG_HASH_SIZE])
{
    copy *c = user;
    assert(c->to);
    prog_progress("collecting", versions_store_size(c->to), 0, false);
    return versions_copier_copy(c->copier, id);
}

/* Copy the chunks of a file; dx_cas copies its nodes. */
static int repack_file(copy *c, const versions_version *v)
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

/* Copy all versions of a name, newest first: older ones become deltas of it. */
static int copy_name(copy *c, const char *name)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    while (!(status = versions_history_next(&history, c->from, name, &v))) {
        int copied = PROG_OK;
        if (v.snapshot)
            copied = versions_snapshot_visit(c->from, v.root, &c->known, copy_object, c);
        else if (c->pack) copied = repack_file(c, &v);
        if (copied) return copied;
    }
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

/* Copy the objects of all names that dx_cas cannot copy itself. */
static int copy_names(versions_store *from, versions_store *to, bool pack)
{
    versions_version *list;
    size_t count;
    assert(from != to);
    copy c = {.from = from, .to = to, .copier = versions_copier_open(from, to, pack), .pack = pack};
    int status = versions_version_list(from, &list, &count);
    for (size_t i = 0; !status && i < count; i++) status = copy_name(&c, list[i].name);
    prog_progress(NULL, 0, 0, true);
    free(list);
    versions_known_free(&c.known);
    versions_copier_close(c.copier);
    return status;
}

/* Replace the store by a successor; *left: its size in bytes. */
static int collect(versions_store *s, bool pack, uint64_t *left)
{
    versions_store *successor;
    int status = versions_store_successor_open(s, &successor);
    if (status) return status;
    status = copy_names(s, successor, pack);
    if (!status) return versions_store_replace(s, successor, left);
    versions_store_successor_drop(successor);
    return status;
}

/* Report a version that is beyond `keep`. */
static void say_dropped(const versions_version *v, bool json)
{
    prog_json j;
    if (!json) {
        prog_say("%s@%llu would be removed\n", v->name, (unsigned long long)v->version);
        return;
    }
    prog_json_begin(&j);
    prog_json_text(&j, "removed", v->name);
    prog_json_number(&j, "version", v->version);
    prog_json_flag(&j, "dry_run", true);
    prog_json_end(&j);
}

/* List the versions that would be removed. The bytes freed are unknown without copying. */
static int rehearse(const dxup_options *o)
{
    versions_store *s;
    versions_version *list = NULL, v;
    size_t count = 0;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = versions_version_list(s, &list, &count);
    for (size_t i = 0; !status && i < count && o->keep; i++) {
        versions_history history = {.begun = false};
        uint64_t seen = 0;
        if (list[i].tagged) continue;
        while (!(status = versions_history_next(&history, s, list[i].name, &v)))
            if (++seen > o->keep) say_dropped(&v, o->json);
        if (status == PROG_NOT_FOUND) status = PROG_OK;
    }
    free(list);
    versions_store_close(s);
    return status;
}

static void print_summary(const dxup_options *o, uint64_t before, uint64_t after)
{
    char was[32], is[32];
    prog_json j;
    if (!o->json) {
        prog_say("%s: %s bytes before, %s after\n", o->store, prog_count_text(before, was),
                 prog_count_text(after, is));
        return;
    }
    prog_json_begin(&j);
    prog_json_text(&j, "store", o->store);
    prog_json_number(&j, "size_before", before);
    prog_json_number(&j, "size", after);
    prog_json_end(&j);
}

int dxup_gc(const dxup_options *o)
{
    versions_store *s;
    uint64_t left = 0;
    if (o->dry_run) return rehearse(o);
    int status = versions_store_open(&s, o->store, VERSIONS_WRITE);
    if (status) return status;
    uint64_t before = versions_store_size(s);
    status = trim_names(s, o->keep);
    if (!status) status = collect(s, o->pack, &left);
    if (!status && !o->quiet) print_summary(o, before, left);
    versions_store_close(s);
    return status;
}
