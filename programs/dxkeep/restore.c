/* dxkeep restore: restores the directory as of a moment. The version is written to a staging
   directory next to the target, every object is verified by its hash, and the target is replaced
   atomically; a mount point is replaced entry by entry (in_place.c). */
#include "keep.h"

#include "in_place.h"
#include "../common/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int keep_restore_to(versions_store *s, const versions_version *v, const char *target,
                    const keep_options *o, int *partial)
{
    *partial = PROG_OK;
    if (!v->snapshot)
        return prog_fail(PROG_REFUSED, "%s: version %llu is not a directory that dxkeep captured",
                         o->store, (unsigned long long)v->version);
    if (prog_lies_in(o->store, target) || prog_lies_in(target, o->store))
        return prog_fail(PROG_REFUSED, "%s contains the store %s, or is inside it, and is not "
                                       "replaced; use another target",
                         target, o->store);
    /* Take the lock before the first look at the target: entries that appear later are not
       replaced. A mount point has a journal of its own, which is also its lock. */
    versions_guard guard = {.lock = -1};
    versions_dest *dest = prog_alloc(sizeof *dest);
    memset(dest, 0, sizeof *dest);
    dest->fd = dest->entry_fd = -1;
    versions_report *report = versions_report_open();
    const bool mounted = keep_is_mount_point(target);
    int journal = -1, refused = PROG_OK;
    int status = mounted ? PROG_OK : versions_guard_open(&guard, target);
    if (!status && !o->force && keep_is_filled(target))
        status = prog_fail(PROG_REFUSED, "%s is a directory that is not empty; use --force to replace it",
                           target);
    if (!status)
        status = mounted ? keep_in_place_open(dest, target, &journal)
                         : versions_dest_open(dest, target, v->kind, v->mode, NULL);
    versions_tree_restore_desc desc = {.root = v->root, .dest = dest, .workers = o->workers,
                                   .omit = o->omit, .limits = o->limits,
                                   .report = report};
    if (!status) status = versions_tree_restore(s, &desc);
    if (!status)
        status = mounted ? keep_in_place_commit(dest, &refused)
                         : versions_dest_replace(dest, guard.before);
    versions_dest_abandon(dest);
    if (mounted) keep_in_place_close(dest->path, journal, !status);
    versions_guard_close(&guard);
    free(dest);
    *partial = versions_report_close(report, target);
    if (!*partial) *partial = refused;
    return status;
}

static void print_summary(const keep_options *o, const versions_version *v)
{
    char size[32], when[40];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", v->version);
        prog_json_time(&j, "time", v->time_ns);
        prog_json_text(&j, "path", o->target);
        prog_json_number(&j, "size", v->size);
        prog_json_number(&j, "torn", v->torn);
        prog_json_hash(&j, "root", v->root);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(v->time_ns, when);
    prog_say("%s is as it was at %s (version %llu): %s bytes, verified\n", o->target, when,
             (unsigned long long)v->version, prog_count_text(v->size, size));
    if (v->torn) prog_say("%u files in it changed during their capture\n", v->torn);
}

int keep_restore(const keep_options *o)
{
    versions_store *s;
    versions_version v;
    int partial = PROG_OK;
    assert(o->moment && o->target);
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = keep_moment_find(s, o, o->moment, &v);
    if (!status) status = keep_in_place_recover(o->target);
    if (!status) status = keep_restore_to(s, &v, o->target, o, &partial);
    if (!status && !o->quiet) print_summary(o, &v);
    versions_store_close(s);
    return status ? status : partial;
}
