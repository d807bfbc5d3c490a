/* A pull of a snapshot, or of the objects of a file. The old directory is scanned as a snapshot
   into a store next to the destination, to find out which objects are missing. The store also
   receives the fetched objects (net/sync.c), so an interrupted pull resumes from it. The staging
   directory is written from both. */
#include "pull.h"

#include "../../sync/sync.h"
#include "../../common/os.h"
#include "../../versions/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSIONS_NO_SNAPSHOTS
/* Metadata that is not restored: owners unless requested. */
versions_omit dxup_pull_omit(const pull *p)
{
    versions_omit omit = p->o->omit;
    omit.owner = !p->o->owner;
    return omit;
}

void dxup_pull_close_report(pull *p, versions_report *report)
{
    versions_report_left_out(report, p->install.left_out);
    p->install.partial = versions_report_close(report, p->o->path);
}

/* >>the store next to the destination ----------------------------------- */
/* Open the store. It is removed when the destination is replaced. */
static int open_store(pull *p)
{
    os_info info;
    char path[PROG_PATH_SIZE_MAX + 64], lock[PROG_PATH_SIZE_MAX + 72];
    if (p->install.store) return PROG_OK;
    assert(!p->install.dest_open);
    const int kind = p->plan.kind == PROG_FILE ? PROG_FILE : PROG_TREE;
    int status = versions_dest_open(&p->install.dest, p->o->path, kind, p->plan.mode, NULL);
    p->install.dest_open = !status;
    if (status) return status;
    versions_dest_beside(&p->install.dest, PULL_STORE, path);
    p->install.left_store = os_stat(path, false, &info) == 0;
    /* Do not follow a link. Without a lock file, the removal of an earlier store was interrupted. */
    snprintf(lock, sizeof lock, "%s/lock", path);
    if (p->install.left_store && (info.kind != OS_FOLDER || os_stat(lock, false, &info) < 0)) {
        status = prog_remove_all(path);
        if (status) return status;
        p->install.left_store = false;
    }
    status = versions_store_open(&p->install.store, path, VERSIONS_CREATE);
    if (status == PROG_DAMAGED) { /* useless, and owned by pull */
        p->install.left_store = false;
        status = prog_remove_all(path);
        if (!status) status = versions_store_open(&p->install.store, path, VERSIONS_CREATE);
    }
    if (!status && p->install.left_store) p->transfer.kept = versions_store_kept(p->install.store);
    return status;
}

void dxup_pull_close_store(pull *p)
{
    if (p->install.store) {
        versions_store_set_seed(p->install.store, NULL, NULL);
        versions_seeds_close(p->install.seeds);
        versions_store_close(p->install.store);
    }
    versions_stat_cache_close(p->install.stat_cache);
    p->install.store = NULL;
    p->install.seeds = NULL;
    p->install.stat_cache = NULL;
}

/* >>the destination ---------------------------------------------------- */
/* Note since when the cache is trusted: files that it knows are not read. */
static void note_trust(pull *p)
{
    os_info info;
    char path[PROG_PATH_SIZE_MAX + 64];
    versions_dest_beside(&p->install.dest, PULL_CACHE, path);
    if (versions_stat_cache_any(p->install.stat_cache) && os_stat(path, false, &info) == 0)
        p->plan.trusted_since_ns = info.mtime_ns;
}

static void load_cache(pull *p)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    versions_dest_beside(&p->install.dest, PULL_CACHE, path);
    p->install.stat_cache = versions_stat_cache_open_at(path);
}

/* Remove the cache with --checksum, and if the destination does not exist. */
static void open_cache(pull *p)
{
    if (p->install.stat_cache) return;
    if (p->o->checksum || !p->plan.have_kind)
        (void)versions_dest_remove_beside(&p->install.dest, PULL_CACHE);
    load_cache(p);
}

/* Scan the destination, a directory. */
int dxup_pull_scan(pull *p, uint64_t *size)
{
    const versions_omit omit = dxup_pull_omit(p);
    int status = open_store(p);
    if (status || p->install.seeds) return status;
    open_cache(p);
    note_trust(p);
    status = versions_seeds_open(&p->install.seeds, p->install.store, p->o->path, &omit,
                                 p->install.stat_cache, p->install.stock, p->install.old_root,
                                 size);
    if (status == PROG_NOT_FOUND) /* it was removed meanwhile */
        return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->o->path);
    return status;
}

/* The key of the cache: the snapshot of the destination, and the hash of its stream. */
static void cache_key(const uint8_t root[32], const uint8_t hash[32], uint8_t out[32])
{
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    dx_cas_blake3_update(&h, root, 32);
    dx_cas_blake3_update(&h, hash, 32);
    dx_cas_blake3_final(&h, out, 32);
}

/* The first scan of the destination also fills in the guard's inventory; the second attempt has one. */
static int scan_dest(pull *p, uint64_t *size)
{
    versions_guard *g = p->install.guard;
    if (g->before || g->lock < 0) return dxup_pull_scan(p, size);
    versions_inventory_begin(&p->install.stock, p->o->path);
    int status = dxup_pull_scan(p, size);
    versions_inventory_end(p->install.stock);
    if (status) versions_inventory_free(p->install.stock);
    else g->before = p->install.stock;
    p->install.stock = NULL;
    return status;
}

/* Is the destination unchanged since the last pull? Then its hash is known, and only files that the
   scan shows as changed are read. *known: it is unchanged. The key of the cache ties the hash to the
   snapshot, so the last pull may have used another name: another version of it, or a tag. */
int dxup_pull_stat_by_cache(pull *p, bool *known)
{
    uint8_t hash[PROG_HASH_SIZE], key[PROG_HASH_SIZE];
    uint64_t version, size = 0;
    unsigned mode;
    bool there;
    *known = false;
    int status = versions_dest_find_staging(&p->install.dest, p->o->path, &there);
    if (status) return status;
    load_cache(p);
    if (!versions_stat_cache_any(p->install.stat_cache) ||
        !versions_dest_is_free(&p->install.dest) ||
        !versions_dest_recorded(&p->install.dest, NULL, &version, hash) ||
        versions_image_stat(p->o->path, &p->plan.have_kind, &mode) ||
        p->plan.have_kind != PROG_TREE)
        return PROG_OK;
    status = scan_dest(p, &size);
    cache_key(p->install.old_root, hash, key);
    *known = !status && versions_stat_cache_is_of(p->install.stat_cache, key);
    p->install.known = *known;
    if (!*known) return status;
    memcpy(p->plan.have, hash, sizeof p->plan.have);
    p->plan.have_size = size;
    return PROG_OK;
}

/* Save the cache with the present snapshot of the destination. */
static void save_cache(pull *p)
{
    uint8_t key[PROG_HASH_SIZE];
    cache_key(p->install.old_root, p->plan.hash, key);
    versions_stat_cache_keep_lists(p->install.stat_cache, p->install.store);
    versions_stat_cache_save(p->install.stat_cache, key);
}

/* The destination, or a part of it, was replaced. Scan it again: the files that were written or
   linked are known, and changes by others since then are not part of this version. */
void dxup_pull_save_cache(pull *p)
{
    const versions_omit omit = dxup_pull_omit(p);
    versions_stat_cache *seen = p->install.stat_cache;
    const char *part = p->install.scope.path;
    /* A cache of files that can change without a new time stamp would be wrong. */
    bool good = seen && p->plan.kind == PROG_TREE && os_maps_update_times(p->o->path);
    if (good) {
        versions_stat_cache_settle(seen);
        good = versions_seeds_again(p->install.store, p->o->path, &omit, seen, *part ? part : NULL,
                                    p->install.old_root) &&
               versions_scope_same(p->install.store, p->install.old_root, p->plan.root, &omit);
    }
    if (good && *part) versions_stat_cache_take_settled(seen);
    if (good) save_cache(p);
    else (void)versions_dest_remove_beside(&p->install.dest, PULL_CACHE);
}

/* Nothing has changed since before the first scan: the hash and the chunks are still valid. */
static bool is_as_before(const pull *p)
{
    const versions_inventory *before = p->install.guard->before;
    if (versions_inventory_is_empty(before)) return false;
    versions_changes *changes = prog_alloc(sizeof *changes);
    memset(changes, 0, sizeof *changes);
    const bool same = !versions_inventory_compare(before, "", p->o->path, false, changes) &&
                      !changes->count;
    free(changes);
    return same;
}

void dxup_pull_save_unchanged(pull *p)
{
    if (p->plan.kind != PROG_TREE || !os_maps_update_times(p->o->path)) return;
    if (!p->install.known && !versions_dest_is_free(&p->install.dest)) return;
    if (!p->install.known) {
        if (dxup_pull_scan(p, NULL) || !is_as_before(p)) return;
        p->plan.trusted_since_ns = 0; /* everything was read */
    }
    if (versions_stat_cache_is_news(p->install.stat_cache)) save_cache(p);
}

/* >>fetch -------------------------------------------------------------- */
static dxup_sync_desc sync_desc(pull *p, versions_store *s)
{
    const dxup_sync_desc desc = {.address = &p->transfer.addresses.list[p->transfer.address_at],
                                 .address_text = p->o->address,
                                 .name = p->o->name,
                                 .backend = p->o->backend,
                                 .store = s,
                                 .root = p->plan.root,
                                 .limits = &p->o->limits,
                                 .sent = &p->transfer.sent,
                                 .received = &p->transfer.received,
                                 .connections = p->o->connections,
                                 .timeout_s = p->o->timeout_s,
                                 .patches = p->plan.patches,
                                 .wholes = p->plan.wholes,
                                 .rate = &p->transfer.rate,
                                 .lacking = p->o->dry_run ? &p->transfer.lacking : NULL,
                                 .fresh = &p->transfer.fresh};
    return desc;
}

/* The same for a file, which is cut into chunks here: so far only its hash was needed. */
static int fetch_file(pull *p, versions_store *s)
{
    uint8_t hash[PROG_HASH_SIZE];
    dx_tree_entry old;
    const bool updates = p->plan.have_kind == PROG_FILE;
    int status =
        versions_seeds_open_file(&p->install.seeds, s, updates ? p->o->path : NULL, &old);
    versions_missing_file file = {
        .entry = {.type = DX_TREE_FILE, .level = p->plan.level, .size = p->plan.size},
        .old = old.size ? &old : NULL,
        .keep = versions_seeds_keep_list,
        .user = p->install.seeds};
    memcpy(file.entry.id, p->plan.root, sizeof file.entry.id);
    dxup_sync_desc fetch = sync_desc(p, s);
    fetch.file = &file;
    if (!status) status = dxup_sync_fetch(&fetch);
    if (!status && !p->o->dry_run)
        status = versions_file_restore(s, &file.entry, &p->install.dest, !p->o->omit.sparse, hash);
    if (!status && !p->o->dry_run && memcmp(hash, p->plan.hash, sizeof hash) != 0)
        status = prog_fail(PROG_DAMAGED,
                           "the content does not match the hash that the server announced; "
                           "nothing was changed");
    return status;
}

/* Fetch into the store, and restore from there. */
static int fetch_into(pull *p, versions_store *s)
{
    uint8_t of_seed[PROG_HASH_SIZE];
    const versions_omit omit = dxup_pull_omit(p);
    const bool updates = p->plan.have_kind == PROG_TREE;
    const char *seed = p->o->seed;
    int status = PROG_OK;
    if (updates) status = dxup_pull_scan(p, NULL);
    else open_cache(p);
    if (!status && !updates && seed)
        status =
            versions_seeds_open(&p->install.seeds, s, seed, &omit, NULL, NULL, p->install.old_root,
                                NULL);
    if (!status && updates && seed)
        status = versions_seeds_add(p->install.seeds, s, seed, &omit, of_seed);
    dxup_sync_desc fetch = sync_desc(p, s);
    if (p->install.seeds) fetch.old = p->install.old_root;
    if (!status) status = dxup_sync_fetch(&fetch);
    if (p->o->dry_run) return status;
    if (!status && updates && !p->install.replaces_all && !versions_seeds_linked(p->install.seeds))
        status =
            versions_scope_find(&p->install.scope, s, p->install.old_root, p->plan.root, &omit);
    if (!status) {
        const versions_tree_restore_desc restore = {.root = p->plan.root,
                                                    .dest = &p->install.dest,
                                                    .omit = omit,
                                                    .limits = p->o->limits,
                                                    .report = versions_report_open(),
                                                    .old_path = updates ? p->o->path : NULL,
                                                    .old_root = p->install.old_root,
                                                    .part = &p->install.scope,
                                                    .seen = p->install.stat_cache};
        status = versions_tree_restore(s, &restore);
        dxup_pull_close_report(p, restore.report);
    }
    return status;
}

int dxup_pull_fetch(pull *p)
{
    int status = open_store(p);
    const bool is_file = p->plan.kind == PROG_FILE;
    if (!status)
        status = is_file ? fetch_file(p, p->install.store) : fetch_into(p, p->install.store);
    if (status == PROG_DAMAGED && p->install.left_store)
        prog_warn("the data of an interrupted pull may be damaged; fetching everything again");
    versions_known_free(&p->transfer.lacking.seen);
    p->install.complete = !status && !p->o->dry_run;
    return status;
}
#else
void dxup_pull_close_store(pull *p) { (void)p; }
void dxup_pull_save_cache(pull *p) { (void)p; }
void dxup_pull_save_unchanged(pull *p) { (void)p; }

int dxup_pull_stat_by_cache(pull *p, bool *known)
{
    (void)p;
    *known = false;
    return PROG_OK;
}

int dxup_pull_fetch(pull *p)
{
    (void)p;
    return PROG_OK;
}
#endif
