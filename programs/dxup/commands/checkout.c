/* dxup checkout: writes a version to a file or a directory. It writes to a staging file or directory
   next to the destination, verifies the hash, and replaces the destination atomically. A snapshot is
   restored file by file on all cores; a file, or a tree stored as a stream, is one stream of bytes. */
#include "commands.h"
#include "names.h"

#include "../../versions/dest.h"
#include "../../versions/store/store.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/tree.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A stream that is being written to the destination. */
typedef struct checkout {
    versions_dest dest;
    dx_cas_blake3 hasher;
} checkout;

static int checkout_bytes(void *user, const void *bytes, size_t size)
{
    checkout *c = user;
    assert(c->dest.fd >= 0);
    dx_cas_blake3_update(&c->hasher, bytes, size);
    return versions_dest_write(&c->dest, bytes, size);
}

static int checkout_stream(versions_store *s, const versions_version *v, const dxup_options *o,
                           const versions_inventory *before)
{
    uint8_t hash[PROG_HASH_SIZE];
    checkout *c = prog_alloc(sizeof *c);
    int status = versions_dest_open(&c->dest, o->path, v->kind, v->mode, NULL);
    if (status) {
        free(c);
        return status;
    }
    c->dest.entries_max = o->limits.entries_max;
    c->dest.bytes_max = o->limits.size_max;
    dx_cas_blake3_init(&c->hasher);
    status = versions_content_stream(s, v, checkout_bytes, c);
    dx_cas_blake3_final(&c->hasher, hash, sizeof hash);
    if (!status && !v->snapshot && memcmp(hash, v->hash, sizeof hash) != 0)
        status = prog_fail(PROG_DAMAGED, "%s@%llu is damaged: its content does not match its hash",
                           v->name, (unsigned long long)v->version);
    if (!status) status = versions_dest_replace(&c->dest, before);
    versions_dest_abandon(&c->dest);
    free(c);
    return status;
}

/* Restore a snapshot with all its metadata. versions_tree_restore() verifies every object.
   *partial: PROG_PARTIAL if the file system could not store all of it. */
static int checkout_snapshot(versions_store *s, const versions_version *v, const dxup_options *o,
                             const versions_inventory *before, int *partial)
{
    assert(v->snapshot && v->kind == PROG_TREE);
    versions_dest *dest = prog_alloc(sizeof *dest);
    int status = versions_dest_open(dest, o->path, v->kind, v->mode, NULL);
    versions_report *report = versions_report_open();
    versions_tree_restore_desc desc = {.root = v->root, .dest = dest, .workers = o->workers,
                                   .omit = o->omit, .limits = o->limits,
                                   .report = report};
    if (!status) {
        status = versions_tree_restore(s, &desc);
        if (!status) status = versions_dest_replace(dest, before);
        versions_dest_abandon(dest);
    }
    free(dest);
    *partial = versions_report_close(report, o->path);
    return status;
}

/* Refuse to replace a non-empty directory without --force. Refuse always if it contains the store
   or lies in it, because all versions would be lost. */
static int check_replaced(const dxup_options *o, int kind)
{
    if (prog_lies_in(o->store, o->path) || prog_lies_in(o->path, o->store))
        return prog_fail(PROG_REFUSED, "%s contains the store %s, or is inside it, and is not "
                                       "replaced; use another destination",
                         o->path, o->store);
    int status = versions_dest_check(o->path, kind);
    if (status || o->force || !prog_has_entries(o->path)) return status;
    return prog_fail(PROG_REFUSED, "%s is a directory that is not empty; use --force to replace it", o->path);
}

static int write_version(versions_store *s, const versions_version *v, const dxup_options *o,
                         const versions_inventory *before, int *partial)
{
    if (v->snapshot && VERSIONS_HAS_SNAPSHOTS) return checkout_snapshot(s, v, o, before, partial);
    return checkout_stream(s, v, o, before);
}

/* Take the inventory before the first look at the destination: entries that appear later
   are not replaced. */
static int replace(versions_store *s, const versions_version *v, const dxup_options *o,
                   int *partial)
{
    versions_guard guard;
    int status = versions_guard_open(&guard, o->path);
    if (!status) status = check_replaced(o, v->kind);
    if (!status) status = write_version(s, v, o, guard.before, partial);
    versions_guard_close(&guard);
    return status;
}

static void print_summary(const dxup_options *o, const versions_version *v)
{
    const uint8_t *shown = v->snapshot ? v->root : v->hash;
    char size[32], hash[65];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "name", v->name);
        prog_json_number(&j, "version", v->version);
        prog_json_text(&j, "path", o->path);
        prog_json_number(&j, "size", v->size);
        prog_json_hash(&j, "hash", shown);
        prog_json_flag(&j, "dry_run", o->dry_run);
        prog_json_end(&j);
        return;
    }
    prog_count_text(v->size, size);
    if (o->dry_run)
        prog_say("%s@%llu would be checked out to %s: %s bytes\n", v->name,
                 (unsigned long long)v->version, o->path, size);
    else
        prog_say("%s@%llu checked out to %s: %s bytes, BLAKE3 %s verified\n", v->name,
                 (unsigned long long)v->version, o->path, size, prog_hash_text(shown, hash));
}

int dxup_checkout(const dxup_options *o)
{
    versions_store *s;
    versions_version v;
    int partial = PROG_OK;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = dxup_find(s, o->name, &v);
    if (!status && o->dry_run) status = check_replaced(o, v.kind);
    else if (!status) status = replace(s, &v, o, &partial);
    if (!status && (!o->quiet || o->dry_run)) print_summary(o, &v);
    versions_store_close(s);
    return status ? status : partial;
}
