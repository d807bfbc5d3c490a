/* dxkeep status: whether a dxkeep writes to the store, what its last version is, and how much of the
   store no version needs. */
#include "keep.h"

#include "keeper.h"
#include "pins.h"
#include "ship.h"
#include "../common/json.h"
#include "../versions/tree/collect.h"

#include <stdlib.h>
#include <string.h>

typedef struct summary {
    keep_keeper      keeper;
    bool             runs;
    versions_version latest, oldest;
    uint64_t         versions, consistent, pinned;
    uint64_t         size;   /* of the log */
    keep_torn        torn;   /* why the latest version is torn */
    uint64_t         unused; /* bytes of objects that no version needs, before compression */
    bool             counted;
    keep_ship_record remote;
    bool             shipped; /* it is there */
    uint64_t         behind;  /* versions that the remote lacks */
    int64_t          since_ns; /* time of the oldest of these */
} summary;

static int read_versions(versions_store *s, const keep_options *o, summary *out)
{
    versions_history history = {.begun = false};
    keep_pins pins;
    int status = keep_pins_load(&pins, o->store, o->name);
    if (status) return status;
    while (!(status = versions_history_next(&history, s, o->name, &out->oldest))) {
        if (!out->versions++) out->latest = out->oldest;
        if (out->shipped && out->oldest.version > out->remote.version) {
            out->behind++;
            out->since_ns = out->oldest.time_ns;
        }
        out->consistent += out->oldest.consistent;
        out->pinned += keep_pins_have(&pins, out->oldest.version);
    }
    keep_pins_free(&pins);
    if (status != PROG_NOT_FOUND) return status;
    if (!out->versions || out->latest.consistent) return PROG_OK;
    size_t size;
    char *notes = keep_torn_open(o->store, o->name, &size);
    keep_torn_load(&out->torn, notes, size, out->latest.version);
    free(notes);
    return PROG_OK;
}

/* "4.2 s", "17 min", "3.5 h", "12 days" */
static const char *age_text(int64_t ns, char out[32])
{
    const double seconds = ns > 0 ? (double)ns / 1e9 : 0;
    if (seconds < 120) snprintf(out, 32, "%.1f s", seconds);
    else if (seconds < 7200) snprintf(out, 32, "%.0f min", seconds / 60);
    else if (seconds < 172800) snprintf(out, 32, "%.1f h", seconds / 3600);
    else snprintf(out, 32, "%.0f days", seconds / 86400);
    return out;
}

static void print_keeper(const keep_keeper *k, int64_t now_ns)
{
    char when[40], age[32];
    keep_moment_text(k->began_ns, when);
    prog_say("running    since %s, process %llu, captures %s\n", when, (unsigned long long)k->pid,
             k->directory);
    if (k->failed) prog_say("lag        the last capture failed; ");
    else prog_say("lag        ");
    if (k->waiting_ns) prog_say("changes wait for %s\n", age_text(now_ns - k->waiting_ns, age));
    else prog_say("none: no change waits\n");
}

/* How much the store has grown since the version that the remote has. */
static uint64_t behind_bytes(const summary *u)
{
    return u->behind && u->size > u->remote.log_size ? u->size - u->remote.log_size : 0;
}

/* What the remote has, and why it does not have more. */
static void print_remote(const summary *u, int64_t now_ns)
{
    const keep_ship_record *r = &u->remote;
    char count[32], bytes[32], age[2][32];
    prog_say("remote     %s: ", r->remote);
    if (r->version)
        prog_say("has version %llu of %s ago; ", (unsigned long long)r->version,
                 age_text(now_ns - r->time_ns, age[0]));
    else prog_say("has no version; ");
    if (u->behind)
        prog_say("%s later %s, %s bytes, for %s", prog_count_text(u->behind, count),
                 u->behind == 1 ? "version waits" : "versions wait", prog_count_text(behind_bytes(u), bytes),
                 age_text(now_ns - u->since_ns, age[1]));
    else prog_say("none waits");
    if (*r->why) prog_say("; %s", r->why);
    if (r->skipped) prog_say("; %s left out", prog_count_text(r->skipped, count));
    prog_say("\n");
}

static void print_text(const summary *u, int64_t now_ns)
{
    char numbers[3][32], when[40], age[32], torn[KEEP_TORN_LINE_SIZE];
    if (u->runs) print_keeper(&u->keeper, now_ns);
    else prog_say("running    no\n");
    if (u->versions) {
        keep_moment_text(u->latest.time_ns, when);
        prog_say("latest     version %llu of %s, %s ago, %s bytes, %s\n",
                 (unsigned long long)u->latest.version, when,
                 age_text(now_ns - u->latest.time_ns, age),
                 prog_count_text(u->latest.size, numbers[0]),
                 keep_torn_or_consistent(u->latest.consistent, &u->torn, u->latest.torn, torn));
        keep_moment_text(u->oldest.time_ns, when);
        prog_say("versions   %s since %s, %s of them consistent, %s pinned\n",
                 prog_count_text(u->versions, numbers[0]), when,
                 prog_count_text(u->consistent, numbers[1]), prog_count_text(u->pinned, numbers[2]));
    } else {
        prog_say("latest     none\n");
    }
    if (u->shipped) print_remote(u, now_ns);
    prog_say("store      %s bytes", prog_count_text(u->size, numbers[0]));
    if (u->counted)
        prog_say("; no version needs %s bytes (before compression)",
                 prog_count_text(u->unused, numbers[1]));
    prog_say("\n");
}

static void print_json(const summary *u, int64_t now_ns)
{
    prog_json j;
    prog_json_begin(&j);
    prog_json_flag(&j, "running", u->runs);
    if (u->runs) {
        prog_json_number(&j, "process", u->keeper.pid);
        prog_json_time(&j, "since", u->keeper.began_ns);
        prog_json_text(&j, "directory", u->keeper.directory);
        prog_json_flag(&j, "failed", u->keeper.failed);
        const int64_t lag_ns = u->keeper.waiting_ns ? now_ns - u->keeper.waiting_ns : 0;
        prog_json_number(&j, "lag_ms", lag_ns > 0 ? (uint64_t)lag_ns / 1000000 : 0);
    }
    prog_json_number(&j, "versions", u->versions);
    if (u->versions) {
        prog_json_number(&j, "latest", u->latest.version);
        prog_json_time(&j, "time", u->latest.time_ns);
        prog_json_number(&j, "size", u->latest.size);
        prog_json_flag(&j, "consistent", u->latest.consistent);
        keep_torn_json(&u->torn, &j);
        prog_json_number(&j, "consistent_versions", u->consistent);
        prog_json_number(&j, "pinned_versions", u->pinned);
    }
    if (u->shipped) {
        const keep_ship_record *r = &u->remote;
        prog_json_text(&j, "remote", r->remote);
        prog_json_text(&j, "remote_state", keep_ship_state_name(r->state));
        prog_json_text(&j, "remote_why", r->why);
        prog_json_number(&j, "remote_version", r->version);
        if (r->version) prog_json_time(&j, "remote_time", r->time_ns);
        prog_json_number(&j, "behind_versions", u->behind);
        prog_json_number(&j, "behind_bytes", behind_bytes(u));
        const int64_t lag_ns = u->behind ? now_ns - u->since_ns : 0;
        prog_json_number(&j, "remote_lag_ms", lag_ns > 0 ? (uint64_t)lag_ns / 1000000 : 0);
        prog_json_number(&j, "skipped_versions", r->skipped);
        prog_json_number(&j, "epoch", r->epoch);
    }
    prog_json_number(&j, "store_size", u->size);
    if (u->counted) prog_json_number(&j, "unreferenced", u->unused);
    prog_json_end(&j);
}

/* Is the lag within --max-lag? */
static int judge(const keep_options *o, const summary *u, int64_t now_ns)
{
    char age[32];
    const int64_t max_ns = o->lag_max_ns < INT64_MAX ? (int64_t)o->lag_max_ns : INT64_MAX;
    if (o->lag_max_ns == UINT64_MAX) return PROG_OK;
    if (!u->runs) return prog_fail(PROG_REFUSED, "%s: behind: no dxkeep captures into it", o->store);
    if (u->keeper.failed) return prog_fail(PROG_REFUSED, "%s: behind: the last capture failed", o->store);
    if (u->keeper.waiting_ns && now_ns - u->keeper.waiting_ns > max_ns)
        return prog_fail(PROG_REFUSED, "%s: behind: changes wait for %s", o->store,
                         age_text(now_ns - u->keeper.waiting_ns, age));
    if (u->behind && now_ns - u->since_ns > max_ns)
        return prog_fail(PROG_REFUSED, "%s: behind: versions wait for the remote for %s", o->store,
                         age_text(now_ns - u->since_ns, age));
    return PROG_OK;
}

int keep_status(const keep_options *o)
{
    versions_store *s;
    summary *u = prog_alloc(sizeof *u);
    memset(u, 0, sizeof *u);
    prog_progress_off();
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (!status) {
        u->shipped = keep_ship_read(o->store, o->name, &u->remote);
        status = read_versions(s, o, u);
        if (!status) status = versions_unused(s, &u->unused, &u->counted);
        u->size = versions_store_size(s);
        u->runs = keep_keeper_read(o->store, &u->keeper);
        const int64_t now_ns = prog_time_ns();
        if (!status && o->json) print_json(u, now_ns);
        else if (!status) print_text(u, now_ns);
        if (!status) status = judge(o, u, now_ns);
        versions_store_close(s);
    }
    keep_torn_clear(&u->torn);
    free(u);
    return status;
}
