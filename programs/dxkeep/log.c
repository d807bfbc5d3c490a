/* dxkeep log: lists the versions, newest first. */
#include "keep.h"

#include "pins.h"
#include "../common/json.h"

#include <stdlib.h>

/* A name may contain a line feed: escape it, so that the output stays one line. */
static void print_names(const keep_torn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        for (char *c = t->names[i]; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
        prog_say("%s%s", i ? ", " : ": ", t->names[i]);
    }
}

static void print_version(const versions_version *v, const keep_options *o, const keep_torn *t,
                          bool pinned)
{
    char size[32], when[40], hash[65], line[KEEP_TORN_LINE_SIZE];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", v->version);
        prog_json_time(&j, "time", v->time_ns);
        prog_json_number(&j, "size", v->size);
        prog_json_number(&j, "torn", v->torn);
        prog_json_flag(&j, "consistent", v->consistent);
        if (pinned) prog_json_flag(&j, "pinned", true);
        prog_json_hash(&j, "root", v->root);
        keep_torn_json(t, &j);
        prog_json_array_begin(&j, "torn_files");
        for (size_t i = 0; i < t->count; i++) prog_json_text(&j, NULL, t->names[i]);
        prog_json_array_end(&j);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(v->time_ns, when);
    prog_say("%8llu  %s  %15s  %.16s", (unsigned long long)v->version, when,
             prog_count_text(v->size, size), prog_hash_text(v->root, hash));
    prog_say("  %s%s", pinned ? "pinned, " : "",
             keep_torn_or_consistent(v->consistent, t, v->torn, line));
    print_names(t);
    prog_say("\n");
}

int keep_log(const keep_options *o)
{
    versions_history history = {.begun = false};
    versions_version v;
    versions_store *s;
    uint64_t count = 0;
    keep_torn torn = {.count = 0};
    size_t notes_size;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    keep_pins pins;
    char *notes = keep_torn_open(o->store, o->name, &notes_size);
    status = keep_pins_load(&pins, o->store, o->name);
    while (!status && (!o->limit || count < o->limit)) {
        status = versions_history_next(&history, s, o->name, &v);
        if (status) break;
        keep_torn_clear(&torn);
        if (!v.consistent) keep_torn_load(&torn, notes, notes_size, v.version);
        print_version(&v, o, &torn, keep_pins_have(&pins, v.version));
        count++;
    }
    if (status == PROG_NOT_FOUND) status = PROG_OK;
    if (!status && !count)
        status = keep_fail_no_versions(s, o);
    keep_torn_clear(&torn);
    keep_pins_free(&pins);
    free(notes);
    versions_store_close(s);
    return status;
}
