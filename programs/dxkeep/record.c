/* dxkeep record: what a command changes in a directory, as two versions, one before the command and one after
   it has ended. The store stays open in between, so nobody adds a version between the two. */
#include "child.h" /* first: it defines _GNU_SOURCE */

#include "in_place.h"
#include "keep.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../versions/tree/diff.h"

#include <assert.h>
#include <stdlib.h>

enum { PENDING = 16, TRIES = 3 /* of a capture during which entries were replaced */ };

#define ALONE_NS INT64_C(3000000000) /* for the last processes of the command to end */

typedef struct recorder {
    const keep_options *o;
    keep_capture capture;
    keep_child   child;
    keep_guard   guard;
    dx_reactor   reactor;
    void        *memory;
    versions_version before, after;
    uint64_t     added, changed, removed; /* entries */
    uint64_t     bytes; /* of the files that were added or changed */
    int64_t      taken_ns; /* by the command */
} recorder;

/* >>command ------------------------------------------------------------ */
static int open_reactor(recorder *r)
{
    dx_reactor_desc desc = {.pending_max = PENDING, .descriptors_max = PENDING, .queue_entries = PENDING,
                            .posts_max = PENDING, .file_threads = DX_REACTOR_NO_THREADS};
    desc.memory_size = dx_reactor_memory_size(&desc);
    r->memory = prog_alloc(desc.memory_size);
    desc.memory = r->memory;
    const int error = dx_reactor_open(&r->reactor, &desc);
    if (!error) return PROG_OK;
    free(r->memory);
    r->memory = NULL;
    return prog_fail(PROG_SYSTEM, "cannot open the event loop: %s", dx_reactor_error_name(error));
}

static int run_command(recorder *r)
{
    const int64_t began_ns = prog_now_ns();
    int status = open_reactor(r);
    if (status) return status;
    keep_signals_begin(&r->reactor);
    status = keep_child_start(&r->child, &r->guard, r->o->program);
    while (!status && !keep_child_tend(&r->child) && !r->child.ended)
        dx_reactor_run_once(&r->reactor, DX_REACTOR_FOREVER);
    r->taken_ns = prog_now_ns() - began_ns;
    return status;
}

/* >>captures ----------------------------------------------------------- */
/* Always a new version: the one before the command is that before the version after it. */
static int capture(recorder *r, versions_version *out)
{
    keep_capture *c = &r->capture;
    int status = PROG_OK;
    c->always = true;
    for (int i = 0; !status && i < TRIES && (!i || c->all); i++) {
        keep_capture_note(c, "");
        status = keep_capture_now(c);
    }
    *out = c->last;
    if (status && c->absent) return prog_fail(status, "%s: no such directory", r->o->directory);
    char text[KEEP_LACKING_SIZE];
    if (!status && keep_capture_lacking(c)) prog_warn("not recorded: %s", keep_capture_lacking_text(c, text));
    return status;
}

/* Is nothing left that the command has started? As long as others start processes, a look can be in vain. */
static bool has_ended(recorder *r)
{
    keep_freezer freezer = {.cgroup = NULL};
    keep_freezer_open(&freezer, &r->guard);
    const int64_t until_ns = prog_now_ns() + ALONE_NS;
    bool alone = keep_freezer_alone(&freezer);
    while (!alone && prog_now_ns() < until_ns) {
        os_sleep_ns(ALONE_NS / 1000);
        alone = keep_freezer_alone(&freezer);
    }
    keep_freezer_close(&freezer);
    return alone;
}

/* >>summary ------------------------------------------------------------ */
static int count(void *user, const versions_difference *d)
{
    recorder *r = user;
    if (!d->was) r->added++;
    else if (!d->is) r->removed++;
    else r->changed++;
    if (d->is && d->content && d->type == DX_TREE_FILE) r->bytes += d->size;
    return PROG_OK;
}

/* The text goes to standard error: standard output is the command's. */
static void print_summary(const recorder *r)
{
    const keep_options *o = r->o;
    char counts[4][32];
    prog_json j;
    if (!o->json) {
        prog_warn("%s: versions %llu and %llu of %s: %s added, %s changed, %s removed, %s bytes%s", o->directory,
                  (unsigned long long)r->before.version, (unsigned long long)r->after.version, o->name,
                  prog_count_text(r->added, counts[0]), prog_count_text(r->changed, counts[1]),
                  prog_count_text(r->removed, counts[2]), prog_count_text(r->bytes, counts[3]),
                  r->after.consistent ? "" : "; torn, because processes of the command still run");
        return;
    }
    prog_json_begin(&j);
    prog_json_text(&j, "name", o->name);
    prog_json_number(&j, "before", r->before.version);
    prog_json_number(&j, "after", r->after.version);
    prog_json_number(&j, "added", r->added);
    prog_json_number(&j, "changed", r->changed);
    prog_json_number(&j, "removed", r->removed);
    prog_json_number(&j, "bytes", r->bytes);
    prog_json_flag(&j, "consistent", r->after.consistent);
    prog_json_number(&j, "status", (uint64_t)r->child.status);
    prog_json_number(&j, "ms", (uint64_t)r->taken_ns / 1000000);
    prog_json_end(&j);
}

/* >>record ------------------------------------------------------------- */
static int record(recorder *r)
{
    const keep_options *o = r->o;
    int status = keep_store_check(o, "the command was not started");
    if (!status) status = keep_in_place_recover(o->directory);
    /* The guard must not inherit the store. */
    if (!status) status = keep_guard_open(&r->guard, NULL, o->program);
    if (status) return status;
    r->capture.still = true;
    status = capture(r, &r->before);
    if (status) return prog_fail(status, "the command was not started: %s could not be captured", o->directory);
    status = run_command(r);
    if (status) return status;
    r->capture.still = has_ended(r);
    status = capture(r, &r->after);
    if (!status) status = versions_diff_visit(r->capture.store, &r->before, &r->after, count, r);
    if (!status) versions_store_save_index(r->capture.store);
    if (!status && !o->quiet) print_summary(r);
    return r->child.status ? r->child.status : status;
}

int keep_record(const keep_options *o)
{
    recorder *r = prog_alloc(sizeof *r);
    assert(o->program && o->directory);
    *r = (recorder){.o = o, .capture = {.o = o}};
    const int status = record(r);
    if (r->memory) {
        keep_signals_end();
        dx_reactor_close(&r->reactor);
        free(r->memory);
    }
    keep_guard_close(&r->guard);
    keep_capture_close(&r->capture);
    free(r);
    return status;
}
