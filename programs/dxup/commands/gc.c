/* dxup gc: removes old versions and reclaims their space. It copies everything reachable from the
   remaining versions into a new store file, the successor, and replaces the old file atomically:

       trim names -> open successor -> copy objects -> versions_store_replace() (the commit)

   After a crash at any moment before the last step, the store is unchanged. */
#include "commands.h"

#include "../../common/json.h"
#include "../../versions/store/store.h"
#include "../../versions/tree/collect.h"

#include <stdlib.h>

#define ASK_NS INT64_C(60000000000)

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

/* Before versions are removed: may this user replace the store? */
static int may_replace(versions_store *s)
{
    versions_store *successor;
    const int status = versions_store_successor_open(s, &successor);
    if (!status) versions_store_successor_drop(successor);
    return status;
}

/* Replace the store by a successor; *left: its size in bytes. */
static int collect(versions_store *s, bool pack, uint64_t *left)
{
    const versions_keep all = {.fn = NULL};
    versions_collector *c;
    const int status = versions_collector_open(&c, s, pack, &all);
    return status ? status : versions_collector_finish(c, left);
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
    int status = versions_store_open_soon(&s, o->store, prog_now_ns() + ASK_NS);
    if (status) return status;
    uint64_t before = versions_store_size(s);
    status = o->keep ? may_replace(s) : PROG_OK;
    if (!status) status = trim_names(s, o->keep);
    if (!status) status = collect(s, o->pack, &left);
    if (!status && !o->quiet) print_summary(o, before, left);
    versions_store_close(s);
    return status;
}
