/* The results of queries. See results.h.

   The value of a cache entry serves both kinds of clients without another copy or conversion:

       0             4     8              16                      16 + record
       | record u32  | 0   | position u64 | record, as sent       | JSON ...

   A flight is a query that runs or waits to run, with all requests for it:

       request --\
       request ----> flight --> job of pool.c --> record, JSON --> cache, and all requests
       request --/

   If a table that it reads changes meanwhile, or changes may be missed, the flight is outdated: its
   requests get the result, because they came before the change; it is not cached, and no further
   request joins. */
#include "results.h"

#include "health.h"

#include "../common/os.h"
#include "json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_SIZE = 16, POSITION_AT = 8 };

typedef struct dxdb_flight {
    struct dxdb_flight *next;
    struct dxdb_flight *prev;
    dxdb_results   *results;
    uint32_t        query;
    bool            has_ticket;  /* the cache waits for its result */
    bool            is_joinable;
    dxdb_request   *requests;    /* in order of arrival */
    dxdb_request   *last;
    const char     *values[DXDB_PARAMETERS_MAX];
    dx_queries_call call;        /* the ticket */
    char            texts[];     /* storage of values */
} dxdb_flight;

static uint64_t now_ms(const dxdb_results *r) { return dx_reactor_now_ns(r->reactor) / 1000000; }

/* A parameter in the form of a cache key: NULL differs from every text. */
typedef struct parameters {
    dx_cache_tag tags[DXDB_PARAMETERS_MAX];
    char         text[DX_QUERIES_KEY_MAX];
} parameters;

/* False: too large for a key. */
static bool put_parameters(parameters *p, const char *const *values, uint32_t count)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const size_t size = values[i] ? strlen(values[i]) : 0;
        if (size >= sizeof p->text - used) return false;
        p->text[used] = values[i] ? 'v' : 'n';
        if (size) memcpy(p->text + used + 1, values[i], size);
        p->tags[i].data = p->text + used;
        p->tags[i].size = size + 1;
        used += size + 1;
        if (used == sizeof p->text) return i + 1 == count;
    }
    return true;
}

static void open_value(const dx_cache_view *view, dxdb_result *result)
{
    const uint8_t *bytes = view->value;
    uint32_t size;
    memcpy(&size, bytes, sizeof size);
    assert(view->value_size >= HEAD_SIZE && size <= view->value_size - HEAD_SIZE);
    result->status = DXDB_OK;
    result->why = NULL;
    result->record = bytes + HEAD_SIZE;
    result->record_size = size;
    memcpy(&result->position, bytes + POSITION_AT, sizeof result->position);
    result->json = (const char *)bytes + HEAD_SIZE + size;
    result->json_size = view->value_size - HEAD_SIZE - size;
    result->view = dx_cache_ext_holds(view) ? view : NULL;
}

bool dxdb_results_get(dxdb_results *r, uint32_t query, const char *const *values,
                      dxdb_result *result)
{
    const dxdb_query_config *q = &r->config->queries[query];
    parameters p;
    if (!r->catalog.is_up || !put_parameters(&p, values, q->parameter_count)) return false;
    const int error = dx_queries_get(&r->queries, q->name, strlen(q->name), p.tags,
                                     q->parameter_count, now_ms(r), &r->call);
    if (error) {
        dx_queries_end(&r->queries, &r->call);
        return false;
    }
    r->metrics.hits++;
    r->metrics.query[query].requests++;
    r->metrics.query[query].hits++;
    open_value(&r->call.view, result);
    return true;
}

void dxdb_results_release(dxdb_results *r) { dx_queries_end(&r->queries, &r->call); }

/* >>flights ------------------------------------------------------------------------- */
/* Deliver the result to all requests. They may issue new ones inside the callback. */
static void answer_all(dxdb_flight *f, const dxdb_result *result)
{
    dxdb_query_metrics *m = &f->results->metrics.query[f->query];
    while (f->requests) {
        dxdb_request *request = f->requests;
        f->requests = request->next;
        if (f->requests) f->requests->prev = NULL;
        else f->last = NULL;
        request->flight = NULL;
        if (result->status != DXDB_OK) m->errors++;
        request->answered(request, result);
    }
}

static void join(dxdb_flight *f, dxdb_request *request)
{
    request->flight = f;
    request->next = NULL;
    request->prev = f->last;
    if (f->last) f->last->next = request;
    else f->requests = request;
    f->last = request;
}

void dxdb_results_forget(dxdb_request *request)
{
    dxdb_flight *f = request->flight;
    if (!f) return;
    if (request->prev) request->prev->next = request->next;
    else f->requests = request->next;
    if (request->next) request->next->prev = request->prev;
    else f->last = request->prev;
    request->flight = NULL;
}

/* Do not cache the result, and let no request join. */
static void outdate(dxdb_flight *f)
{
    dxdb_results *r = f->results;
    f->is_joinable = false;
    if (!f->has_ticket) return;
    f->has_ticket = false;
    r->metrics.outdated++;
    (void)dx_queries_fail(&r->queries, &f->call, DX_QUERIES_EOUTDATED, now_ms(r));
    dx_queries_end(&r->queries, &f->call);
}

static void end_flight(dxdb_flight *f)
{
    dxdb_results *r = f->results;
    assert(!f->requests && !f->has_ticket && r->in_flight > 0);
    if (f->prev) f->prev->next = f->next;
    else r->flights = f->next;
    if (f->next) f->next->prev = f->prev;
    r->in_flight--;
    free(f);
}

static void fail(dxdb_flight *f, uint16_t status, const char *why)
{
    dxdb_results *r = f->results;
    const dxdb_result result = {.status = status, .why = why};
    r->metrics.failed++;
    f->is_joinable = false;
    if (f->has_ticket) {
        f->has_ticket = false;
        (void)dx_queries_fail(&r->queries, &f->call, DX_QUERIES_EDATABASE, now_ms(r));
        dx_queries_end(&r->queries, &f->call);
    }
    answer_all(f, &result);
    end_flight(f);
}

/* Make the value of a cache entry, as pictured above. */
static void make_value(dxdb_text *value, const dxdb_rows *rows, const dxdb_writer *w,
                       uint64_t position)
{
    const uint32_t size = (uint32_t)w->size;
    uint8_t head[HEAD_SIZE] = {0};
    memcpy(head, &size, sizeof size);
    memcpy(head + POSITION_AT, &position, sizeof position);
    dxdb_text_put(value, head, sizeof head);
    dxdb_text_put(value, w->bytes, w->size);
    dxdb_json_rows(value, rows, w->bytes, w->size);
}

static void succeed(dxdb_flight *f, const dxdb_text *value)
{
    dxdb_results *r = f->results;
    dx_cache_view own = {.value = value->bytes, .value_size = value->size};
    const uint64_t ttl_ms = r->config->queries[f->query].ttl_ms;
    dxdb_result result;
    f->is_joinable = false;
    open_value(&own, &result);
    if (f->has_ticket) {
        const int error = dx_queries_put(&r->queries, &f->call, value->bytes, value->size, ttl_ms,
                                         now_ms(r));
        if (!error) open_value(&f->call.view, &result);
        if (error == DX_QUERIES_EOUTDATED) r->metrics.outdated++;
    }
    answer_all(f, &result);
    if (f->has_ticket) dx_queries_end(&r->queries, &f->call);
    f->has_ticket = false;
    end_flight(f);
}

static void on_done(void *user, const dxdb_outcome *outcome)
{
    dxdb_flight *f = user;
    dxdb_results *r = f->results;
    const dxdb_described *d = &r->catalog.queries[f->query];
    char text[DXDB_TEXT_SIZE];
    dxdb_rows_status written;
    dxdb_text value = {0};
    dxdb_writer w;
    if (outcome->run_ns) {
        r->metrics.query[f->query].runs++;
        r->metrics.query[f->query].run_us += outcome->run_ns / 1000;
    }
    if (outcome->status != DXDB_OK) {
        fail(f, outcome->status, outcome->why);
        return;
    }
    if (!d->is_ready || !d->rows.count) { /* it ran before a reload of the catalog, which is not complete */
        fail(f, DXDB_UNAVAILABLE, "the schema has changed, ask again");
        return;
    }
    written = dxdb_rows_write(&d->rows, outcome->result, r->config->result_max, &w, text,
                              sizeof text);
    switch (written) {
    case DXDB_ROWS_OK:
        make_value(&value, &d->rows, &w, outcome->position);
        succeed(f, &value);
        break;
    case DXDB_ROWS_CHANGED:
        dxdb_catalog_reload(&r->catalog, "a result has other columns than before");
        fail(f, DXDB_UNAVAILABLE, "the schema has changed, ask again");
        break;
    case DXDB_ROWS_TOO_BIG:
        fail(f, DXDB_TOO_BIG, "the result is larger than result_max");
        break;
    case DXDB_ROWS_BAD: fail(f, DXDB_FAILED, text); break;
    }
    dxdb_writer_free(&w);
    dxdb_text_free(&value);
}

static bool has_values(const dxdb_flight *f, const char *const *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!f->values[i] != !values[i]) return false;
        if (values[i] && strcmp(f->values[i], values[i])) return false;
    }
    return true;
}

size_t dxdb_values_size(const char *const *values, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += values[i] ? strlen(values[i]) + 1 : 0;
    return size;
}

void dxdb_values_copy(const char *const *values, uint32_t count, const char **copies, char *texts)
{
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = NULL;
        if (!values[i]) continue;
        const size_t length = strlen(values[i]) + 1;
        copies[i] = memcpy(texts, values[i], length);
        texts += length;
    }
}

static dxdb_flight *new_flight(dxdb_results *r, uint32_t query, const char *const *values)
{
    const uint32_t count = r->config->queries[query].parameter_count;
    dxdb_flight *f = prog_alloc(sizeof *f + dxdb_values_size(values, count));
    memset(f, 0, sizeof *f);
    dxdb_values_copy(values, count, f->values, f->texts);
    f->results = r;
    f->query = query;
    f->next = r->flights;
    if (r->flights) r->flights->prev = f;
    r->flights = f;
    r->in_flight++;
    return f;
}

void dxdb_results_load(dxdb_results *r, uint32_t query, const char *const *values, bool joins,
                       dxdb_request *request)
{
    const dxdb_query_config *q = &r->config->queries[query];
    const dxdb_described *d = &r->catalog.queries[query];
    const uint32_t count = q->parameter_count;
    parameters p;
    dxdb_result bad = {.status = DXDB_FAILED, .why = d->why};
    dxdb_query_metrics *m = &r->metrics.query[query];
    request->flight = NULL;
    m->requests++;
    m->misses++;
    if (!put_parameters(&p, values, count)) {
        bad.status = DXDB_TOO_BIG;
        bad.why = "the parameters are too large";
    }
    if (bad.status == DXDB_TOO_BIG || (r->catalog.is_up && !d->is_ready)) {
        m->errors++;
        request->answered(request, &bad);
        return;
    }
    for (dxdb_flight *f = joins ? r->flights : NULL; f; f = f->next) {
        if (f->query != query || !f->is_joinable || !has_values(f, values, count)) continue;
        r->metrics.joined++;
        join(f, request);
        return;
    }
    dxdb_flight *f = new_flight(r, query, values);
    r->metrics.loads++;
    /* If not all tables send notifications, the result may have changed since the flight began:
       only the request that began it gets it. */
    f->is_joinable = !r->catalog.is_up || d->is_tracked || d->is_timed;
    if (r->catalog.is_up) {
        const int begun = dx_queries_begin(&r->queries, q->name, strlen(q->name), p.tags, count,
                                           now_ms(r), &f->call);
        f->has_ticket = begun == DX_CACHE_COMPUTE;
        if (!f->has_ticket) dx_queries_end(&r->queries, &f->call);
    }
    join(f, request);
    dxdb_pool_run(&r->pool, query, (int)count, f->values, on_done, f);
}

/* >>writes ------------------------------------------------------------------------------- */
typedef struct dxdb_transaction {
    dxdb_writing *writing; /* NULL: forgotten */
    const char   *values[DXDB_PARAMETERS_MAX];
    char          texts[]; /* storage of values */
} dxdb_transaction;

static void on_written(void *user, const dxdb_outcome *outcome)
{
    dxdb_transaction *t = user;
    dxdb_writing *w = t->writing;
    if (w) {
        w->transaction = NULL;
        w->written(w, outcome);
    }
    free(t);
}

void dxdb_results_write(dxdb_results *r, uint32_t write, const char *const *values,
                        dxdb_writing *w)
{
    const uint32_t count = r->config->writes[write].parameter_count;
    dxdb_transaction *t = prog_alloc(sizeof *t + dxdb_values_size(values, count));
    memset(t, 0, sizeof *t);
    dxdb_values_copy(values, count, t->values, t->texts);
    t->writing = w;
    w->transaction = t;
    dxdb_pool_write(&r->pool, write, (int)count, t->values, on_written, t);
}

void dxdb_results_forget_write(dxdb_writing *w)
{
    if (w->transaction) w->transaction->writing = NULL;
    w->transaction = NULL;
}

/* >>what the catalog tells ------------------------------------------------------------ */
static void on_changed(dxdb_catalog *c, Oid root, const dxdb_change *change)
{
    dxdb_results *r = c->user;
    char tag[24];
    const int size = snprintf(tag, sizeof tag, "t%u", (unsigned)root);
    r->metrics.invalidations++;
    for (dxdb_flight *f = r->flights; f; f = f->next) {
        const dxdb_described *d = &c->queries[f->query];
        for (uint32_t i = 0; i < d->root_count; i++)
            if (d->roots[i] == root) outdate(f);
    }
    dx_cache_invalidate(&r->cache, tag, (size_t)size);
    if (r->follower.changed) r->follower.changed(r->follower.user, root, change);
}

static void reset(dxdb_results *r)
{
    for (dxdb_flight *f = r->flights; f; f = f->next) outdate(f);
    dx_cache_invalidate_all(&r->cache);
    r->metrics.resets++;
}

static void on_down(dxdb_catalog *c, const char *why, const char *reason)
{
    dxdb_results *r = c->user;
    if (!r->is_quiet) prog_warn("caching is suspended: %s", why);
    dxdb_pool_pause(&r->pool);
    reset(r);
    if (r->follower.down) r->follower.down(r->follower.user, reason);
}

/* A query that is neither tracked nor has a ttl is not registered, so its results are never cached. */
static void register_query(dxdb_results *r, uint32_t query)
{
    const dxdb_query_config *q = &r->config->queries[query];
    const dxdb_described *d = &r->catalog.queries[query];
    const uint32_t count = d->is_tracked ? d->root_count : 0;
    dx_cache_tag tags[DXDB_TABLES_MAX];
    char names[DXDB_TABLES_MAX][24];
    for (uint32_t i = 0; i < count; i++) {
        tags[i].size = (size_t)snprintf(names[i], sizeof names[i], "t%u", (unsigned)d->roots[i]);
        tags[i].data = names[i];
    }
    (void)dx_queries_remove(&r->queries, q->name, strlen(q->name));
    if (!d->is_ready || (!d->is_tracked && !d->is_timed)) return;
    const int error = dx_queries_register(&r->queries, q->name, strlen(q->name), q->sql,
                                          strlen(q->sql), tags, count);
    if (error) prog_warn("query %s is not cached: %s", q->name, dx_queries_error_name(error));
}

static void on_up(dxdb_catalog *c)
{
    dxdb_results *r = c->user;
    reset(r);
    for (uint32_t i = 0; i < r->config->query_count; i++) register_query(r, i);
    dxdb_pool_resume(&r->pool, c->generation);
    if (r->follower.up) r->follower.up(r->follower.user);
}

static const dxdb_catalog_calls calls = {on_up, on_down, on_changed};

/* >>all of it ---------------------------------------------------------------------------- */
int dxdb_results_begin(dxdb_results *r, dx_reactor *reactor, const dxdb_config *config,
                       uint32_t worker)
{
    dx_cache_desc desc;
    uint64_t seeds[4];
    memset(r, 0, sizeof *r);
    r->reactor = reactor;
    r->config = config;
    r->is_quiet = worker > 0;
    if (!os_random(seeds, sizeof seeds)) return prog_fail_errno("the system's random numbers");
    memset(&desc, 0, sizeof desc);
    desc.bytes_max = config->cache_bytes;
    desc.entries_max = config->cache_entries;
    desc.ttl_ms = config->ttl_ms;
    desc.drop_expired = true;
    desc.tags_max = config->query_count * (DXDB_TABLES_MAX + 1) + 16;
    desc.entry_tags_max = DXDB_TABLES_MAX + 1;
    desc.flights_max = config->waiting_max + config->pool;
    desc.flight_ms = 2 * config->request_ms + 60000;
    desc.seed[0] = seeds[0];
    desc.seed[1] = seeds[1];
    desc.memory_size = dx_cache_memory_size(&desc);
    if (!desc.memory_size) return prog_fail(PROG_USAGE, "[cache]: bytes and entries are too large "
                                                        "for this machine");
    r->memory = prog_alloc(desc.memory_size);
    desc.memory = r->memory;
    const int error = dx_cache_init(&r->cache, &desc);
    if (error) return prog_fail(PROG_SYSTEM, "cannot create the cache: %s", dx_cache_error_name(error));
    dx_queries_init(&r->queries, &r->cache);
    dxdb_pool_begin(&r->pool, reactor, config, seeds[2]);
    dxdb_catalog_begin(&r->catalog, reactor, config, &calls, r, seeds[3]);
    r->catalog.index = worker;
    r->catalog.is_quiet = r->is_quiet;
    return PROG_OK;
}

uint16_t dxdb_results_describe(const dxdb_results *r, uint32_t query, dxdb_text *t)
{
    const dxdb_query_config *q = &r->config->queries[query];
    const dxdb_described *d = &r->catalog.queries[query];
    char why[DXDB_HEALTH_SIZE];
    if (!r->catalog.is_up) {
        dxdb_text_add(t, dxdb_health_get(why) ? "the queries are being described" : why);
        return DXDB_UNAVAILABLE;
    }
    if (!d->is_ready) {
        dxdb_text_add(t, d->why);
        return DXDB_FAILED;
    }
    dxdb_text_format(t, "{\"query\":\"%s\",\"method\":%u,\"cached\":%s,\"parameters\":[", q->name,
                     (unsigned)q->method, d->is_tracked || d->is_timed ? "true" : "false");
    for (uint32_t i = 0; i < q->parameter_count; i++) {
        dxdb_text_format(t, "%s{\"name\":\"%s\",\"type\":", i ? "," : "", q->parameters[i]);
        dxdb_text_quote(t, d->parameters[i].name, strlen(d->parameters[i].name));
        dxdb_text_add(t, "}");
    }
    dxdb_text_add(t, "],\"columns\":");
    dxdb_json_columns(t, &d->rows);
    dxdb_text_add(t, ",\"type\":");
    dxdb_json_type(t, &d->rows.type);
    dxdb_text_add(t, "}\n");
    return DXDB_OK;
}

void dxdb_results_describe_write(const dxdb_results *r, uint32_t write, dxdb_text *t)
{
    const dxdb_write_config *w = &r->config->writes[write];
    dxdb_text_format(t, "{\"write\":\"%s\",\"method\":%u,\"parameters\":[", w->name,
                     (unsigned)w->method);
    for (uint32_t i = 0; i < w->parameter_count; i++)
        dxdb_text_format(t, "%s{\"name\":\"%s\"}", i ? "," : "", w->parameters[i]);
    dxdb_text_format(t, "],\"statements\":%u}\n", (unsigned)w->statement_count);
}

bool dxdb_results_healthy(const dxdb_results *r) { return r->catalog.is_up && r->pool.open > 0; }

const dxdb_metrics *dxdb_results_measure(dxdb_results *r)
{
    dx_cache_stats stats;
    dx_cache_get_stats(&r->cache, &stats);
    r->metrics.entries = stats.entries;
    r->metrics.bytes = stats.bytes;
    r->metrics.evicted = stats.evicted;
    r->metrics.notifications = r->catalog.notifications;
    r->metrics.queries = r->pool.executed;
    r->metrics.writes = r->pool.written;
    r->metrics.open = r->pool.open;
    r->metrics.running = r->pool.running;
    r->metrics.waiting = r->pool.waiting;
    r->metrics.up = r->catalog.is_up;
    r->metrics.replicates = r->config->replicates;
    r->metrics.triggered = !r->config->replicates;
    r->metrics.lag = r->config->replicates && r->catalog.log_end > r->catalog.stream.gather.position
                   ? r->catalog.log_end - r->catalog.stream.gather.position : 0;
    return &r->metrics;
}

void dxdb_results_end(dxdb_results *r)
{
    dxdb_catalog_end(&r->catalog);
    dxdb_pool_end(&r->pool);
}

bool dxdb_results_is_ended(const dxdb_results *r)
{
    return dxdb_catalog_is_ended(&r->catalog) && dxdb_pool_is_ended(&r->pool);
}

void dxdb_results_free(dxdb_results *r)
{
    dxdb_catalog_free(&r->catalog);
    free(r->pool.all);
    free(r->memory);
    r->pool.all = NULL;
    r->memory = NULL;
}
