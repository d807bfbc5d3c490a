/* dxkeep log: lists the versions, newest first. */
#include "keep.h"

#include "../common/json.h"

static void print_version(const versions_version *v, const keep_options *o)
{
    char size[32], when[40], hash[65];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", v->version);
        prog_json_time(&j, "time", v->time_ns);
        prog_json_number(&j, "size", v->size);
        prog_json_number(&j, "torn", v->torn);
        prog_json_flag(&j, "consistent", v->consistent);
        prog_json_hash(&j, "root", v->root);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(v->time_ns, when);
    prog_say("%8llu  %s  %15s  %.16s", (unsigned long long)v->version, when,
             prog_count_text(v->size, size), prog_hash_text(v->root, hash));
    prog_say("  %s", v->consistent ? "consistent" : "torn");
    if (v->torn) prog_say(": %u files changed during the capture", v->torn);
    prog_say("\n");
}

int keep_log(const keep_options *o)
{
    versions_history history = {.begun = false};
    versions_version v;
    versions_store *s;
    uint64_t count = 0;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    while (!o->limit || count < o->limit) {
        status = versions_history_next(&history, s, o->name, &v);
        if (status) break;
        print_version(&v, o);
        count++;
    }
    if (status == PROG_NOT_FOUND) status = PROG_OK;
    if (!status && !count)
        status = prog_fail(PROG_NOT_FOUND, "%s has no versions named %s", o->store, o->name);
    versions_store_close(s);
    return status;
}
