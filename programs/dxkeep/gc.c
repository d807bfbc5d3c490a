/* dxkeep gc, dxkeep pin, and --keep of run and daemon: remove old versions by a rule, and give back
   their space.

   A rule, "hourly=24,daily=30", keeps for each of its periods one version in each of the last so many
   periods that have any: the latest consistent one of the period, or without one the latest. "within=24h"
   keeps all that are not older than that now. These stay, too: the latest version, the latest consistent one, and pinned and tagged ones.

   A plan is made first; then everything that its versions need is copied (tree/collect.h), in a daemon
   step by step between captures; then the pins are locked and read again, and the log is replaced. */
#include "gc.h"

#include "keeper.h"
#include "pins.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../versions/tree/collect.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STEP_NS INT64_C(10000000)
#define LOOK_NS INT64_C(2000000000)
#define ASK_NS (INT64_C(60) * 1000000000)
#define REST_NS (INT64_C(3600) * 1000000000)
enum { RARE = 16 }; /* fewer versions are removed at most once an hour */

/* >>rule --------------------------------------------------------------- */
typedef struct period {
    const char *name;
    int64_t     seconds; /* 0: every version is a period of its own */
    int64_t     shift;   /* 1970-01-01 was a Thursday; weeks begin with Monday */
} period;

static const period periods[] = {{"last", 0, 0},      {"minutely", 60, 0},  {"hourly", 3600, 0},
                                 {"daily", 86400, 0}, {"weekly", 604800, 3 * 86400}};
enum { PERIODS = sizeof periods / sizeof *periods };

typedef struct rule {
    uint64_t counts[PERIODS];
    int64_t  within_s; /* 0: none */
} rule;

/* One part of a rule, NAME=COUNT or within=AGE. PROG_NOT_FOUND: it is neither. */
static int parse_part(char *word, rule *out)
{
    size_t i = 0;
    char *count = strchr(word, '=');
    if (!count) return PROG_NOT_FOUND;
    *count++ = 0;
    const bool within = !strcmp(word, "within");
    while (i < PERIODS && strcmp(word, periods[i].name) != 0) i++;
    if (i == PERIODS && !within) return PROG_NOT_FOUND;
    if (within ? out->within_s != 0 : out->counts[i] != 0)
        return prog_fail(PROG_USAGE, "--keep: '%s' is there twice", word);
    if (!within) return prog_parse_number("--keep: a number of versions", count, 1, UINT32_MAX, &out->counts[i]);
    if (keep_age_parse(count, &out->within_s) && out->within_s) return PROG_OK;
    return prog_fail(PROG_USAGE, "--keep: within=%s: '%s' is not an age such as 90s, 5m, 24h, 3d, 1w", count, count);
}

static int parse_rule(const char *text, rule *out)
{
    char word[64];
    memset(out, 0, sizeof *out);
    for (const char *at = text;; at++) {
        const size_t size = strcspn(at, ",");
        if (size >= sizeof word) break;
        memcpy(word, at, size);
        word[size] = 0;
        const int status = parse_part(word, out);
        if (status == PROG_NOT_FOUND) break;
        if (status) return status;
        at += size;
        if (!*at) return PROG_OK;
    }
    return prog_fail(PROG_USAGE, "--keep: '%s' is not a rule; use last=N, minutely=N, hourly=N, daily=N, "
                                 "weekly=N or within=AGE (all of the last 24h, 3d), separated by commas", text);
}

int keep_rule_check(const char *text)
{
    rule r;
    return text ? parse_rule(text, &r) : PROG_OK;
}

/* >>plan --------------------------------------------------------------- */
typedef struct row {
    uint64_t version;
    int64_t  time_ns;
    bool     consistent;
    bool     kept;
} row;

typedef struct plan {
    const keep_options *o;
    row   *rows; /* of the name, newest first */
    size_t count, room, removed;
    bool   all; /* without a rule */
} plan;

static void add_row(plan *p, const versions_version *v)
{
    if (p->count == p->room) {
        p->room = p->room * 2 + 256;
        p->rows = realloc(p->rows, p->room * sizeof *p->rows);
        if (!p->rows) abort();
    }
    p->rows[p->count++] = (row){v->version, v->time_ns, v->consistent, false};
}

static int64_t period_of(const row *r, const period *p)
{
    const int64_t at = r->time_ns / 1000000000 + p->shift;
    return at / p->seconds - (at % p->seconds < 0);
}

typedef struct dated {
    int64_t period;
    size_t  at; /* index of a row */
} dated;

static int by_period(const void *a, const void *b)
{
    const dated *x = a, *y = b;
    if (x->period != y->period) return x->period < y->period ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

typedef struct group {
    size_t latest, best; /* indices of rows of a period */
} group;

static int by_latest(const void *a, const void *b)
{
    const group *x = a, *y = b;
    return x->latest < y->latest ? -1 : x->latest > y->latest;
}

/* The index of the version of a period that is kept: the latest consistent one, or the latest. */
static size_t best_of(const plan *p, const dated *of, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (p->rows[of[i].at].consistent) return of[i].at;
    return of[0].at;
}

/* Keep one version in each of the last `left` periods, which count from the one with the latest version. The
   clock may have been wrong: a period has all versions of its time, in whatever order they were made, so a
   version of 1970 takes one period and no other version away. */
static void keep_periods(plan *p, const period *one, uint64_t left)
{
    dated *all = prog_alloc((p->count + 1) * sizeof *all);
    group *groups = prog_alloc((p->count + 1) * sizeof *groups);
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++)
        all[i] = (dated){one->seconds ? period_of(&p->rows[i], one) : (int64_t)i, i};
    if (p->count) qsort(all, p->count, sizeof *all, by_period);
    for (size_t i = 0, next; i < p->count; i = next) {
        for (next = i + 1; next < p->count && all[next].period == all[i].period;) next++;
        groups[count++] = (group){.latest = all[i].at, .best = best_of(p, all + i, next - i)};
    }
    if (count) qsort(groups, count, sizeof *groups, by_latest);
    for (size_t i = 0; i < count && i < left; i++) p->rows[groups[i].best].kept = true;
    free(groups);
    free(all);
}

/* A version of a clock that was ahead is not old. */
static void keep_within(plan *p, int64_t seconds)
{
    const int64_t now_ns = prog_time_ns();
    const int64_t from_ns = seconds < now_ns / 1000000000 ? now_ns - seconds * 1000000000 : INT64_MIN;
    for (size_t i = 0; i < p->count; i++) p->rows[i].kept |= p->rows[i].time_ns >= from_ns;
}

static row *find_row(const plan *p, uint64_t version)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (p->rows[middle].version == version) return &p->rows[middle];
        if (p->rows[middle].version > version) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

static void keep_one(plan *p, uint64_t version)
{
    row *r = find_row(p, version);
    if (r) r->kept = true;
}

static int keep_pinned(plan *p)
{
    keep_pins pins;
    const int status = keep_pins_load(&pins, p->o->store, p->o->name);
    if (status) return status;
    for (size_t i = 0; i < pins.count; i++) keep_one(p, pins.versions[i]);
    keep_pins_free(&pins);
    return PROG_OK;
}

static int keep_tagged(plan *p, versions_store *s)
{
    versions_version *list;
    size_t count;
    const size_t size = strlen(p->o->name);
    const int status = versions_version_list(s, &list, &count);
    for (size_t i = 0; i < count; i++)
        if (list[i].tagged && !strncmp(list[i].name, p->o->name, size) && list[i].name[size] == '@')
            keep_one(p, list[i].tagged);
    free(list);
    return status;
}

static void count_removed(plan *p)
{
    p->removed = 0;
    for (size_t i = 0; i < p->count; i++) p->removed += !p->rows[i].kept;
}

static int make_plan(plan *p, versions_store *s, const keep_options *o)
{
    versions_history history = {.begun = false};
    versions_version v;
    rule r;
    int status = o->keep ? parse_rule(o->keep, &r) : PROG_OK;
    *p = (plan){.o = o, .all = !o->keep};
    if (status || p->all) return status;
    while (!(status = versions_history_next(&history, s, o->name, &v))) add_row(p, &v);
    if (status != PROG_NOT_FOUND) return status;
    if (p->count) p->rows[0].kept = true;
    for (size_t i = 0; i < p->count; i++) {
        p->rows[i].kept |= p->rows[i].consistent;
        if (p->rows[i].consistent) break;
    }
    for (size_t i = 0; i < PERIODS; i++) keep_periods(p, &periods[i], r.counts[i]);
    if (r.within_s) keep_within(p, r.within_s);
    status = keep_pinned(p);
    if (!status) status = keep_tagged(p, s);
    count_removed(p);
    return status;
}

/* For versions_collector_open(). A version that came after the plan stays. */
static bool keeps(void *user, const char *name, uint64_t version)
{
    const plan *p = user;
    if (p->all || strcmp(name, p->o->name) != 0) return true;
    const row *r = find_row(p, version);
    return !r || r->kept;
}

static void free_plan(plan *p)
{
    free(p->rows);
    p->rows = NULL;
    p->count = p->room = 0;
}

/* Replace the log, while no version can be pinned that it drops. */
static int finish(plan *p, versions_collector *c, uint64_t *size)
{
    const int lock = keep_pins_lock(p->o->store);
    int status = lock < 0 ? PROG_REFUSED : p->all ? PROG_OK : keep_pinned(p);
    if (status) versions_collector_drop(c);
    else status = versions_collector_finish(c, size);
    if (lock >= 0) os_close(lock);
    count_removed(p);
    return status;
}

/* >>daemon ------------------------------------------------------------- */
struct keep_gc {
    const keep_options *o;
    plan                plan;
    versions_collector *collector; /* NULL: none in progress */
    int64_t             due_ns;
    int64_t             rest_ns;   /* until then a few removable versions are no reason */
    int64_t             worst_ns;  /* the longest tick of this collection */
};

keep_gc *keep_gc_open(const keep_options *o)
{
    if (!o->keep) return NULL;
    keep_gc *g = prog_alloc(sizeof *g);
    *g = (keep_gc){.o = o, .due_ns = prog_now_ns() + LOOK_NS};
    return g;
}

int64_t keep_gc_due_ns(const keep_gc *g) { return g ? g->due_ns : INT64_MAX; }

void keep_gc_stop(keep_gc *g)
{
    if (!g || !g->collector) return;
    versions_collector_drop(g->collector);
    g->collector = NULL;
    free_plan(&g->plan);
    g->due_ns = prog_now_ns() + LOOK_NS;
}

void keep_gc_close(keep_gc *g)
{
    keep_gc_stop(g);
    free(g);
}

static void begin(keep_gc *g, versions_store *s)
{
    const versions_keep keep = {keeps, &g->plan};
    int status = make_plan(&g->plan, s, g->o);
    const size_t kept = g->plan.count - g->plan.removed;
    const bool rare = g->plan.removed < RARE || g->plan.removed < kept / 2;
    const bool worth = g->plan.removed && (!rare || prog_now_ns() >= g->rest_ns);
    if (!status && worth) status = versions_collector_open(&g->collector, s, false, &keep);
    if (status) g->collector = NULL;
    if (!g->collector) free_plan(&g->plan);
    if (status) g->due_ns = prog_now_ns() + REST_NS;
}

/* The handle is of the old log, even after an error of the last step. While the store is closed another
   process may write to it: then the next capture must look at everything. */
static void reopen(keep_capture *c)
{
    versions_version v;
    versions_store_close(c->store);
    c->store = NULL;
    versions_store_wait(c->o->store, prog_now_ns() + KEEP_LOCK_NS);
    if (versions_store_open(&c->store, c->o->store, VERSIONS_WRITE)) c->store = NULL;
    const bool same = c->store && !versions_version_find(c->store, c->o->name, 0, &v) &&
                      v.version == c->last.version;
    if (!same) keep_capture_note(c, "");
}

static void end(keep_gc *g, keep_capture *c, int64_t began)
{
    char was[32], is[32], removed[32];
    const uint64_t before = versions_store_size(c->store);
    uint64_t size = 0;
    const int status = finish(&g->plan, g->collector, &size);
    g->collector = NULL;
    reopen(c);
    if (g->worst_ns < prog_now_ns() - began) g->worst_ns = prog_now_ns() - began;
    if (!status && g->o->verbose)
        prog_warn("removed %s versions: the store has %s bytes, %s before; captures waited for at "
                  "most %.1f ms", prog_count_text(g->plan.removed, removed),
                  prog_count_text(size, is), prog_count_text(before, was), (double)g->worst_ns / 1e6);
    g->rest_ns = prog_now_ns() + REST_NS;
    if (status) g->due_ns = g->rest_ns;
    free_plan(&g->plan);
}

/* Ticks take at most a tenth of the time. */
void keep_gc_tick(keep_gc *g, keep_capture *c)
{
    const int64_t began = prog_now_ns();
    bool done = false;
    if (!g || began < g->due_ns) return;
    if (!c->store) { /* a capture will open it */
        g->due_ns = began + LOOK_NS;
        return;
    }
    const bool looks = !g->collector;
    if (looks) g->worst_ns = 0;
    g->due_ns = 0;
    if (looks) {
        begin(g, c->store);
    } else if (versions_collector_step(g->collector, began + STEP_NS, &done)) {
        keep_gc_stop(g);
        g->due_ns = began + REST_NS;
    } else if (done) {
        end(g, c, began);
    }
    const int64_t now = prog_now_ns();
    if (g->worst_ns < now - began) g->worst_ns = now - began;
    int64_t next = now + 9 * (now - began);
    if (!g->collector && next < now + LOOK_NS) next = now + LOOK_NS;
    if (g->due_ns < next) g->due_ns = next;
}

/* >>commands ----------------------------------------------------------- */
static void print_row(const keep_options *o, const row *r)
{
    char when[40];
    prog_json j;
    keep_moment_text(r->time_ns, when);
    if (!o->json) {
        prog_say("version %llu of %s would be removed\n", (unsigned long long)r->version, when);
        return;
    }
    prog_json_begin(&j);
    prog_json_number(&j, "removed", r->version);
    prog_json_time(&j, "time", r->time_ns);
    prog_json_flag(&j, "dry_run", true);
    prog_json_end(&j);
}

static int rehearse(const keep_options *o)
{
    versions_store *s;
    plan p;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = make_plan(&p, s, o);
    for (size_t i = 0; !status && i < p.count; i++)
        if (!p.rows[i].kept) print_row(o, &p.rows[i]);
    if (!status && !p.removed && !o->json && !o->quiet) prog_say("nothing would be removed\n");
    free_plan(&p);
    versions_store_close(s);
    return status;
}

static void print_summary(const keep_options *o, const plan *p, uint64_t before, uint64_t after)
{
    char was[32], is[32], removed[32];
    prog_json j;
    if (!o->json) {
        prog_say("%s: %s versions removed; %s bytes before, %s after\n", o->store,
                 prog_count_text(p->removed, removed), prog_count_text(before, was),
                 prog_count_text(after, is));
        return;
    }
    prog_json_begin(&j);
    prog_json_text(&j, "store", o->store);
    prog_json_number(&j, "versions_removed", p->removed);
    prog_json_number(&j, "size_before", before);
    prog_json_number(&j, "size", after);
    prog_json_end(&j);
}

/* A run or daemon keeps the store all the time, another process only while it writes: wait for that. */
static int open_alone(const keep_options *o, versions_store **s)
{
    keep_keeper keeper;
    const bool kept = keep_keeper_read(o->store, &keeper);
    const int status = versions_store_open_soon(s, o->store, prog_now_ns() + (kept ? 0 : ASK_NS));
    if (status == PROG_REFUSED && kept)
        prog_warn("a dxkeep, process %llu, captures into it: run and daemon collect beside their captures, "
                  "with the same --keep", (unsigned long long)keeper.pid);
    else if (status == PROG_REFUSED)
        prog_warn("it was asked for %d s; a dxup serve --push gives it up once the versions that arrive are "
                  "complete", (int)(ASK_NS / 1000000000));
    return status;
}

int keep_collect(const keep_options *o)
{
    versions_store *s;
    versions_collector *c;
    plan p;
    uint64_t size = 0;
    if (o->dry_run) return rehearse(o);
    int status = open_alone(o, &s);
    if (status) return status;
    const uint64_t before = versions_store_size(s);
    const versions_keep keep = {keeps, &p};
    status = make_plan(&p, s, o);
    if (!status) status = versions_collector_open(&c, s, false, &keep);
    bool done = false;
    while (!status && !done) {
        status = versions_collector_step(c, prog_now_ns() + STEP_NS, &done);
        if (status) versions_collector_drop(c);
    }
    if (!status) status = finish(&p, c, &size);
    if (!status && !o->quiet) print_summary(o, &p, before, size);
    free_plan(&p);
    versions_store_close(s);
    return status;
}

static void print_pin(const keep_options *o, uint64_t version, bool changed)
{
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", version);
        prog_json_flag(&j, "pinned", !o->remove);
        prog_json_flag(&j, "changed", changed);
        prog_json_end(&j);
        return;
    }
    prog_say("version %llu %s pinned\n", (unsigned long long)version,
             changed ? o->remove ? "is no longer" : "is" : o->remove ? "was not" : "was already");
}

/* The version is looked up while the pins are locked: no collection removes it in between. */
static int pin(const keep_options *o, versions_store *s)
{
    versions_version v;
    bool changed = false;
    const bool number = strspn(o->moment, "0123456789") == strlen(o->moment);
    int status = PROG_OK;
    if (o->remove && number) /* the version may be gone */
        status = prog_parse_number("the version", o->moment, 1, UINT64_MAX, &v.version);
    else status = keep_moment_find(s, o, o->moment, &v);
    if (!status) status = keep_pins_set(o->store, o->name, v.version, !o->remove, &changed);
    if (!status && !o->quiet) print_pin(o, v.version, changed);
    return status;
}

int keep_pin(const keep_options *o)
{
    versions_store *s;
    assert(o->moment);
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    const int lock = keep_pins_lock(o->store);
    status = lock < 0 ? PROG_REFUSED : versions_store_look_again(&s);
    if (!status) status = pin(o, s);
    versions_store_close(s);
    if (lock >= 0) os_close(lock);
    return status;
}
