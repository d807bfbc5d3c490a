/* Fetches versions from a remote: its list of versions, then the snapshot of one of them, object by object,
   as dxup pull does (../sync/sync.c). Every object is verified by its id, from the root down, before it is
   kept; what is restored is read from the store that they are kept in, and verified again. A fetch that was
   cut off continues where it was. */
#include "remote.h"

#include "in_place.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../sync/address.h"
#include "../sync/listing.h"
#include "../sync/sync.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 60 };

int keep_remote_parse(keep_remote *r, const char *text, const char *name)
{
    const char *slash = strncmp(text, "unix:", 5) ? strchr(text, '/') : NULL;
    const size_t size = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t version;
    if (size > PROG_PATH_SIZE_MAX) return prog_fail(PROG_USAGE, "--remote: the address is too long");
    memcpy(r->address, text, size);
    r->address[size] = 0;
    int status = dxup_address_check("--remote", r->address);
    if (status) return status;
    if (slash) name = slash + 1;
    if (strlen(name) <= PROG_NAME_SIZE_MAX) versions_split_version(name, r->name, &version);
    else version = 1;
    if (version || !*name || versions_tag_in(name) || strchr(name, ':'))
        return prog_fail(PROG_USAGE, "--remote: '%s' is not a valid name: %s, without @VERSION or @TAG",
                         name, PROG_NAME_RULE);
    return PROG_OK;
}

/* >>fetch ---------------------------------------------------------------- */
/* Fetch the objects of a version into a store. */
static int fetch(const keep_remote *r, const versions_version *v, versions_store *s,
                 const keep_options *o)
{
    dxup_addresses addresses;
    dxup_rate rate = {0};
    uint64_t sent = 0, received = 0, fresh = 0;
    int status = dxup_addresses_find(&addresses, r->address, "--remote");
    if (status) return status;
    const dxup_sync_desc desc = {.address = &addresses.list[0], .address_text = r->address,
                                 .name = r->name, .store = s, .root = v->root, .limits = &o->limits,
                                 .sent = &sent, .received = &received, .timeout_s = TIMEOUT_S,
                                 .patches = true, .rate = &rate, .fresh = &fresh};
    return dxup_sync_fetch(&desc);
}

/* The versions there, newest first; the caller frees *list. */
static int list_versions(const keep_remote *r, versions_version **list, size_t *count)
{
    size_t kept = 0;
    int status = dxup_names_fetch(r->address, r->name, list, count);
    if (status) return status;
    for (size_t i = 0; i < *count; i++)
        if (!(*list)[i].tagged && (*list)[i].snapshot && !strcmp((*list)[i].name, r->name))
            (*list)[kept++] = (*list)[i];
    *count = kept;
    if (kept) return PROG_OK;
    return prog_fail(PROG_NOT_FOUND, "%s has no versions of a directory named '%s'", r->address, r->name);
}

/* >>restore -------------------------------------------------------------- */
/* The store beside the target that fetched objects are kept in until it is restored. */
static int staging_path(const char *target, char out[PROG_PATH_SIZE_MAX + 64])
{
    size_t size = strlen(target);
    while (size > 1 && target[size - 1] == '/') size--;
    size_t at = size;
    while (at > 0 && target[at - 1] != '/') at--;
    if (size > PROG_PATH_SIZE_MAX || at == size)
        return prog_fail(PROG_USAGE, "'%s' cannot be restored", target);
    snprintf(out, PROG_PATH_SIZE_MAX + 64, "%.*s.%.*s.dxkeep-remote", (int)at, target, (int)(size - at),
             target + at);
    return PROG_OK;
}

static int open_staging(const char *path, versions_store **s)
{
    os_info info;
    if (os_stat(path, false, &info) == 0 && info.kind != OS_FOLDER)
        return prog_fail(PROG_REFUSED, "%s exists and is not a directory; remove it", path);
    int status = versions_store_open(s, path, VERSIONS_CREATE);
    if (status != PROG_DAMAGED) return status;
    prog_warn("what an interrupted restore has left in %s is damaged; fetching everything again", path);
    status = prog_remove_all(path);
    return status ? status : versions_store_open(s, path, VERSIONS_CREATE);
}

static void print_restored(const keep_options *o, const keep_remote *r, const versions_version *v)
{
    char size[32], when[40], hash[65];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "remote", r->address);
        prog_json_text(&j, "name", r->name);
        prog_json_number(&j, "version", v->version);
        prog_json_time(&j, "time", v->time_ns);
        prog_json_text(&j, "path", o->target);
        prog_json_number(&j, "size", v->size);
        prog_json_number(&j, "torn", v->torn);
        prog_json_flag(&j, "consistent", v->consistent);
        prog_json_hash(&j, "root", v->root);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(v->time_ns, when);
    prog_say("%s is as it was at %s (version %llu of '%s' at %s): %s bytes, %s, verified from root %.16s\n",
             o->target, when, (unsigned long long)v->version, r->name, r->address,
             prog_count_text(v->size, size), v->consistent ? "consistent" : "torn",
             prog_hash_text(v->root, hash));
}

int keep_remote_restore(const keep_options *o)
{
    keep_remote r;
    versions_version *list = NULL, v;
    versions_store *s;
    char staging[PROG_PATH_SIZE_MAX + 64];
    size_t count = 0;
    int partial = PROG_OK, status = keep_remote_parse(&r, o->remote, o->name);
    bool filled = false;
    if (!status && !o->force) status = keep_is_filled(o->target, &filled);
    if (!status && filled)
        status = prog_fail(PROG_REFUSED, "%s is a directory that is not empty; use --force to replace it",
                           o->target);
    if (!status) status = staging_path(o->target, staging);
    if (!status) status = list_versions(&r, &list, &count);
    if (!status) status = keep_moment_choose(list, count, o->moment ? o->moment : "latest", &v);
    free(list);
    if (!status) status = open_staging(staging, &s);
    if (status) return status;
    keep_options here = *o;
    here.store = staging;
    status = fetch(&r, &v, s, o);
    if (!status) status = keep_restore_to(s, &v, o->target, &here, &partial);
    versions_store_close(s);
    if (!status || status == PROG_DAMAGED) (void)prog_remove_all(staging);
    if (!status && !o->quiet) print_restored(o, &r, &v);
    return status ? status : partial;
}

/* >>continue -------------------------------------------------------------- */
/* Does the remote's history, newest first, go on from the latest version here? here->version 0: there is
   none. */
static bool goes_on(const versions_version *list, size_t count, const versions_version *here)
{
    if (!here->version) return true;
    for (size_t i = 0; i < count; i++)
        if (list[i].version == here->version)
            return !memcmp(list[i].root, here->root, sizeof here->root);
    return false;
}

/* Copy the remote's latest version into the store, with its number. */
static int copy_latest(const keep_remote *r, versions_store *s, const keep_options *o,
                       const versions_version *here, const versions_version *list, size_t count)
{
    versions_version v = list[0];
    if (here->version >= v.version) return PROG_OK; /* captures go on from there; or ship.c refuses */
    if (!goes_on(list, count, here))
        return prog_fail(PROG_REFUSED, "%s: version %llu here is not one of '%s' at %s; use another store, or "
                                       "another NAME", o->store, (unsigned long long)here->version, r->name,
                         r->address);
    int status = fetch(r, &v, s, o);
    if (status) return status;
    snprintf(v.name, sizeof v.name, "%s", o->name);
    memset(v.hash, 0, sizeof v.hash);
    status = versions_version_copy(s, &v, here->version);
    if (!status && !o->quiet)
        prog_warn("%s: continues version %llu of '%s' at %s", o->directory, (unsigned long long)v.version,
                  r->name, r->address);
    return status;
}

int keep_remote_continue(const keep_options *o)
{
    keep_remote r;
    versions_store *s;
    versions_version here, *list = NULL;
    size_t count = 0;
    if (!o->remote || o->fresh) return PROG_OK;
    bool filled;
    int status = keep_is_filled(o->directory, &filled);
    if (status || filled) return status;
    status = keep_remote_parse(&r, o->remote, o->name);
    if (status) return status;
    versions_store_wait(o->store, prog_now_ns() + KEEP_LOCK_NS);
    status = versions_store_open(&s, o->store, VERSIONS_CREATE);
    if (status) return status;
    status = versions_version_find(s, o->name, 0, &here);
    if (status == PROG_NOT_FOUND) memset(&here, 0, sizeof here);
    const bool empty = status == PROG_NOT_FOUND;
    if (empty || !status) {
        prog_mute(true);
        status = list_versions(&r, &list, &count);
        prog_mute(false);
    }
    if (status == PROG_NETWORK && !empty) status = PROG_OK; /* the store has a version to restore */
    else if (!status) status = copy_latest(&r, s, o, &here, list, count);
    else if (status == PROG_NETWORK)
        prog_fail(status, "remote %s does not answer, and %s has no versions: with --no-restore it begins "
                          "without those of the remote", o->remote, o->store);
    free(list);
    versions_store_close(s);
    return status == PROG_NOT_FOUND ? PROG_OK : status; /* the remote has no version */
}
