/* Installs a pulled version: applies the details of a directory, replaces the destination
   atomically, and records the version, so that no older one replaces it. */
#include "pull.h"

#include "../../sync/wire.h"
#include "../../common/os.h"
#include "../../versions/tree/details.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pull *dxup_pull_open(const dxup_options *o)
{
    pull *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->o = o;
    p->transfer.base_fd = -1;
    p->install.dest.fd = -1;
    p->install.dest.entry_fd = -1;
    p->started_ns = prog_now_ns();
    p->transfer.rate.bytes_per_s = o->limit_rate;
    return p;
}

void dxup_pull_close(pull *p)
{
    dxup_pull_close_store(p);
    if (p->install.dest_open) versions_dest_abandon(&p->install.dest);
    if (p->transfer.base_fd >= 0) os_close(p->transfer.base_fd);
    prog_windows_close(&p->transfer.base);
    free(p->transfer.apply_memory);
    container_drop(&p->transfer.container);
    free(p->transfer.links_memory);
    free(p->transfer.reactor_memory);
    free(p);
}

/* *again: the system refuses to replace a part of the directory, so retry with all of it. */
int dxup_pull_replace(pull *p, bool *again)
{
    assert(p->install.complete && p->install.dest_open);
    assert(!p->install.guard || p->install.guard->before);
    if (p->transfer.base_fd >= 0)
        os_close(p->transfer.base_fd); /* Windows cannot replace an open file */
    p->transfer.base_fd = -1;
#ifndef VERSIONS_NO_SNAPSHOTS
    const versions_omit omit = dxup_pull_omit(p);
    if (p->install.stat_cache) {
        versions_stat_cache_pass(p->install.stat_cache, p->install.dest.path);
        p->install.dest.removal.unlinked = versions_stat_cache_unlinked;
        p->install.dest.removal.user = p->install.stat_cache;
    }
    if (*p->install.scope.path)
        return versions_scope_replace(&p->install.scope, &p->install.dest, &omit,
                                      p->install.guard->before, again);
#endif
    (void)again;
    if (!p->install.guard) return versions_dest_commit(&p->install.dest);
    return versions_dest_replace(&p->install.dest, p->install.guard->before);
}

/* Record the version. "Unchanged" from a server with an older version number does not lower it. */
int dxup_pull_record(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    const bool had_owners = versions_dest_recorded_owner(&p->install.dest);
    const bool changed = p->install.complete || p->install.settled;
    const bool owner = p->plan.kind == PROG_TREE && (p->o->owner || (had_owners && !changed));
    bool newest = !versions_dest_recorded(&p->install.dest, p->o->name, &pulled, hash) ||
                  p->plan.version > pulled;
    const bool stays = p->plan.outcome == DXUP_UNCHANGED && !newest;
    if (stays && owner == had_owners) return PROG_OK;
    return versions_dest_record(&p->install.dest, p->o->name, stays ? pulled : p->plan.version,
                                stays ? hash : p->plan.hash, owner);
}

/* >>details ------------------------------------------------------------
   Details are a file on the server. They are pulled like any other file, next to the destination. */
#ifndef VERSIONS_NO_SNAPSHOTS
/* Apply the file of details to the directory. live: it is the destination itself. */
static int apply_details(pull *p, const char *path, bool live)
{
    os_info info;
    int file = os_open(path);
    if (file < 0 || os_info_of(file, &info) < 0) return prog_fail_errno("%s", path);
    const void *bytes = info.size <= VERSIONS_DETAILS_MAX ? os_map(file, (size_t)info.size) : NULL;
    os_close(file);
    if (!bytes) return prog_fail(PROG_SYSTEM, "%s: cannot be read", path);
    versions_details_apply_desc desc = {.bytes = bytes, .size = (size_t)info.size, .live = live,
                             .folder = live ? os_open_folder(p->o->path) : p->install.dest.fd,
                             .omit = dxup_pull_omit(p), .report = versions_report_open()};
    int status = versions_details_apply(&desc);
    if (live) os_close(desc.folder);
    else if (!status) status = versions_dest_filled(&p->install.dest, desc.mode);
    dxup_pull_close_report(p, desc.report);
    os_unmap(bytes, (size_t)info.size);
    return status;
}

/* Pull the details of the version that `of` has pulled into the file at path. *changed: they
   differ from before. */
static int pull_details(pull *of, const char *path, uint64_t base, bool *changed)
{
    dxup_options o = *of->o;
    o.path = path;
    o.connections = 0;
    pull *p = dxup_pull_open(&o);
    p->plan.details_of = of;
    p->plan.details_from = base;
    p->transfer.addresses = of->transfer.addresses;
    p->transfer.address_at = of->transfer.address_at;
    int status = dxup_pull_hash_destination(p, true);
    if (!status) status = versions_dest_find_staging(&p->install.dest, path, &p->plan.left_staging);
    p->plan.left_staging = false; /* the remains of an earlier pull of details are not worth resuming */
    if (!status) status = dxup_pull_ask(p);
    if (!status && p->install.complete)
        status = dxup_pull_replace(p, changed); /* a file is always replaced as a whole */
    *changed = p->install.complete;
    of->transfer.sent += p->transfer.sent;
    of->transfer.received += p->transfer.received;
    if (p->plan.has_no_details) {
        prog_warn("%s: the server sent the contents only: times, links and attributes are not restored",
                  of->o->path);
        status = PROG_OK;
    }
    dxup_pull_close(p);
    return status;
}

/* Restore the details. If the content is unchanged, they are compared only for another version. */
int dxup_pull_restore_details(pull *p)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t base;
    bool changed = false;
    const char *slash = strrchr(p->install.dest.path, '/');
    int front = slash ? (int)(slash + 1 - p->install.dest.path) : 0;
    snprintf(path, sizeof path, "%.*s.%s.dxup.details", front, p->install.dest.path,
             p->install.dest.path + front);
    const bool owners = dxup_pull_lacks_owners(p);
    if (!p->install.complete && !dxup_pull_is_another(p)) return PROG_OK;
    if (!versions_dest_recorded(&p->install.dest, p->o->name, &base, hash)) base = 0;
    int status = pull_details(p, path, base, &changed);
    os_info info;
    if (status || (!p->install.complete && !changed && !owners) || os_stat(path, false, &info) < 0)
        return status;
    p->install.settled = !p->install.complete;
    return apply_details(p, path, p->install.settled);
}
#else
int dxup_pull_restore_details(pull *p)
{
    (void)p;
    return PROG_OK;
}
#endif
