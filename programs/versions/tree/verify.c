/* Re-reads and re-hashes everything in a store, in two passes.

   1. dx_cas verifies every record of the store, reachable or not.
   2. Every snapshot is walked: its directories must be well-formed and all its objects present.
      dx_cas cannot check that, because the entries of directories are opaque to it.

   If the first pass finds damage, each version is read completely, to tell which ones survived. A build
   without zstd cannot check objects that are compressed with it: it counts them, and says nothing of their
   versions. */
#include "content.h"
#include "tree.h"

#include "../../common/json.h"
#include "../../common/options.h"

#include <assert.h>
#include <stdlib.h>

/* Context and counters of print_damage(). */
typedef struct damages {
    uint64_t hints; /* reports that are not damage */
    uint64_t unread; /* objects whose compression this build does not have */
    bool     json;
} damages;

static void print_damage_json(const dx_cas_damage *damage, const char *kind, const char *id)
{
    prog_json j;
    prog_json_begin(&j);
    prog_json_text(&j, "damaged", kind);
    prog_json_number(&j, "offset", damage->offset);
    if (id) prog_json_text(&j, "id", id);
    prog_json_end(&j);
}

/* Print one report of damage. */
static int print_damage(void *user, const dx_cas_damage *damage)
{
    static const char *const kinds[] = {
        "?",
        "store header",
        "record",
        "object",
        "version of a name",
        "padding",
        "commit",
        "missing object",
        "unknown codec",
        "index",
        "commit that the index knows and the log has lost: the index"};
    damages *d = user;
    char offset[32], hash[65];
    /* An interrupted publish leaves a truncated index; the next one continues it. */
    if (damage->kind == DX_CAS_DAMAGE_INDEX && !damage->size) {
        if (!d->json)
            prog_say("the index ends at byte %s; the next publish continues it\n",
                     prog_count_text(damage->offset, offset));
        d->hints++;
        return 0;
    }
    if (damage->kind == DX_CAS_DAMAGE_UNKNOWN && !PROG_HAS_ZSTD) {
        d->unread++;
        return 0;
    }
    bool has_id = damage->kind == DX_CAS_DAMAGE_OBJECT || damage->kind == DX_CAS_DAMAGE_MISSING;
    dx_cas_id_to_hex(&damage->id, hash);
    const char *kind = damage->kind < sizeof kinds / sizeof *kinds ? kinds[damage->kind] : "?";
    if (d->json) print_damage_json(damage, kind, has_id ? hash : NULL);
    else prog_say("damaged: %s at byte %s%s%s\n", kind, prog_count_text(damage->offset, offset),
                  has_id ? ", id " : "", has_id ? hash : "");
    return 0;
}

static int discard(void *user, const void *bytes, size_t size)
{
    (void)user;
    (void)bytes;
    (void)size;
    return PROG_OK;
}

static void print_verdict(const versions_version *v, bool damaged, bool json)
{
    prog_json j;
    if (!json) {
        prog_say("%s@%llu is %s\n", v->name, (unsigned long long)v->version,
                 damaged ? "damaged" : "whole");
        return;
    }
    prog_json_begin(&j);
    prog_json_text(&j, "name", v->name);
    prog_json_number(&j, "version", v->version);
    prog_json_flag(&j, "whole", !damaged);
    prog_json_end(&j);
}

/* After damage was found: print which versions are intact. */
static void judge_name(versions_store *s, const char *name, bool json)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    while (!(status = versions_history_next(&history, s, name, &v)))
        print_verdict(&v, versions_content_stream(s, &v, discard, NULL) != PROG_OK, json);
    if (status != PROG_NOT_FOUND && !json) prog_say("%s: older versions cannot be listed\n", name);
}

static void judge_versions(versions_store *s, bool json)
{
    versions_version *list;
    size_t count;
    if (!versions_version_list(s, &list, &count))
        for (size_t i = 0; i < count; i++) judge_name(s, list[i].name, json);
    free(list);
}

/* Does the store have an object of a snapshot? The first pass has verified its content. */
static int is_there(void *user, const uint8_t id[32])
{
    assert(user);
    return versions_object_has(user, id, 0) ? PROG_OK : PROG_DAMAGED;
}

/* Check the snapshots of a name. *damaged: counts the versions that are malformed or incomplete. */
static int check_name(versions_store *s, const char *name, versions_known *known, uint64_t *damaged)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    assert(known && damaged);
    while (!(status = versions_history_next(&history, s, name, &v))) {
        if (!v.snapshot || !versions_snapshot_visit(s, v.root, known, is_there, s)) continue;
        prog_say("%s@%llu is damaged: one of its objects is missing or malformed\n", v.name,
                 (unsigned long long)v.version);
        ++*damaged;
    }
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

static int check_snapshots(versions_store *s, uint64_t *damaged)
{
    versions_version *list;
    versions_known known = {0};
    size_t count;
    int status = versions_version_list(s, &list, &count);
    for (size_t i = 0; !status && i < count; i++)
        status = check_name(s, list[i].name, &known, damaged);
    free(list);
    versions_known_free(&known);
    return status;
}

static void print_sound(const char *store, bool as_json, const dx_cas_report *report)
{
    char objects[32], bytes[32];
    prog_json j;
    if (as_json) {
        prog_json_begin(&j);
        prog_json_text(&j, "store", store);
        prog_json_flag(&j, "sound", true);
        prog_json_number(&j, "objects", report->objects);
        prog_json_number(&j, "versions", report->refs);
        prog_json_number(&j, "commits", report->commits);
        prog_json_number(&j, "bytes", report->bytes);
        prog_json_end(&j);
        return;
    }
    prog_say("%s is sound: %s objects, %llu versions, %llu commits, %s bytes read and hashed\n",
             store, prog_count_text(report->objects, objects), (unsigned long long)report->refs,
             (unsigned long long)report->commits, prog_count_text(report->bytes, bytes));
}

static int verify(versions_store *s, bool json, bool quiet)
{
    dx_cas_report report;
    damages found = {.json = json};
    char unread[32];
    uint64_t damaged = 0; /* number of snapshots */
    bool any_damage;
    int status = versions_store_verify(s, print_damage, &found, &report, &any_damage);
    if (status) return status;
    assert(found.hints + found.unread <= report.damaged);
    report.damaged -= found.hints + found.unread;
    if (found.unread)
        prog_fail(PROG_SYSTEM, "%s: %s objects are compressed with zstd, which this build does not have: their "
                  "content was not checked", versions_store_path(s), prog_count_text(found.unread, unread));
    if (found.unread && !report.damaged) return PROG_SYSTEM;
    if (any_damage && report.damaged) {
        if (!found.unread) judge_versions(s, json);
        return prog_fail(PROG_DAMAGED, "%s: %llu %s damaged", versions_store_path(s),
                         (unsigned long long)report.damaged,
                         report.damaged == 1 ? "place is" : "places are");
    }
    status = check_snapshots(s, &damaged);
    if (status) return status;
    if (damaged)
        return prog_fail(PROG_DAMAGED, "%s: %llu %s damaged", versions_store_path(s),
                         (unsigned long long)damaged,
                         damaged == 1 ? "version is" : "versions are");
    if (!quiet) print_sound(versions_store_path(s), json, &report);
    return PROG_OK;
}

int versions_store_check(const char *path, bool json, bool quiet)
{
    versions_store *s;
    int status = versions_store_open(&s, path, VERSIONS_CHECK);
    if (status) return status;
    status = verify(s, json, quiet);
    versions_store_close(s);
    return status;
}
