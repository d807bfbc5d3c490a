/* Connections that run queries. See pool.h. */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 1000 }; /* beyond the server's statement timeout; then the connection is dropped */

/* The text formats that rows.c parses, and read-only transactions: queries must not write. */
static const char settings[] =
    "SELECT set_config('application_name', 'dxdb', false),"
    " set_config('client_encoding', 'UTF8', false), set_config('DateStyle', 'ISO, YMD', false),"
    " set_config('TimeZone', 'UTC', false), set_config('IntervalStyle', 'postgres', false),"
    " set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false),"
    " set_config('default_transaction_read_only', 'on', false),"
    " set_config('statement_timeout', $1, false)";

/* The status for the client, from an error of the database. */
static uint16_t status_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!state) return DXDB_UNAVAILABLE;
    if (!strncmp(state, "22", 2)) return DXDB_BAD_REQUEST; /* a value invalid for its type */
    if (!strcmp(state, "57014")) return DXDB_TIMEOUT;
    if (!strncmp(state, "08", 2) || !strncmp(state, "53", 2) || !strncmp(state, "57", 2) ||
        !strncmp(state, "40", 2) || !strncmp(state, "55", 2))
        return DXDB_UNAVAILABLE;
    return DXDB_FAILED;
}

/* >>jobs ---------------------------------------------------------------------- */
static void report(dxdb_job *job, uint16_t status, const PGresult *result, const char *why)
{
    dxdb_job_fn *done = job->done;
    job->done = NULL;
    if (done) done(job->user, status, result, why);
}

static void retire(dxdb_job *job)
{
    assert(!job->on && !job->done);
    job->is_over = true;
    if (dx_reactor_op_pending(&job->timer_op))
        (void)dx_reactor_cancel(job->pool->reactor, &job->timer_op);
    else free(job);
}

/* Remove a job from the list of waiting ones. */
static void unlink_job(dxdb_pool *p, dxdb_job *job)
{
    dxdb_job **at = &p->first;
    while (*at != job) at = &(*at)->next;
    *at = job->next;
    if (p->last == &job->next) p->last = at;
    p->waiting--;
}

/* The deadline has passed: answer the job. The server ends a running query; if it does not, the
   connection is dropped. */
static void on_deadline(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_job *job = dx_reactor_op_user(op);
    dxdb_pool *p = job->pool;
    (void)flags;
    if (job->is_over) {
        free(job);
    } else if (result < 0) {
        return;
    } else if (!job->on) {
        unlink_job(p, job);
        report(job, DXDB_UNAVAILABLE, NULL, "no connection to the database was free in time");
        retire(job);
    } else if (job->done) {
        report(job, DXDB_TIMEOUT, NULL, "the query took too long");
        (void)dx_reactor_timer(r, op, (p->config->request_ms + GRACE_MS) * 1000000);
    } else {
        dxdb_connection_drop(&job->on->connection, "the database does not cancel a query");
    }
}

/* Detach the job of the connection. */
static void let_go(dxdb_pooled *c)
{
    dxdb_job *job = c->job;
    if (!job) return;
    c->job = NULL;
    job->on = NULL;
    c->pool->running--;
    retire(job);
}

static bool is_free(const dxdb_pooled *c)
{
    return c->connection.is_open && !c->job && !c->setup;
}

/* Send the statements of a job: up to three, the last one is its query. */
static void start(dxdb_pooled *c, dxdb_job *job)
{
    dxdb_pool *p = c->pool;
    char name[24];
    c->job = job;
    job->on = c;
    p->running++;
    p->executed++;
    if (c->generation != p->generation) {
        c->generation = p->generation;
        memset(c->prepared, 0, sizeof c->prepared);
        if (!dxdb_connection_run(&c->connection, "DEALLOCATE ALL", 0, NULL)) return;
    }
    snprintf(name, sizeof name, "q%u", (unsigned)job->query);
    if (!c->prepared[job->query]) {
        c->prepared[job->query] = 1;
        if (!dxdb_connection_prepare(&c->connection, name, p->config->queries[job->query].sql))
            return;
    }
    (void)(dxdb_connection_execute(&c->connection, name, job->count, job->values) &&
           dxdb_connection_sync(&c->connection));
}

/* Assign waiting jobs to free connections. */
static void match(dxdb_pool *p)
{
    for (uint32_t i = 0; i < p->config->pool && p->first && !p->is_paused; i++) {
        dxdb_job *job = p->first;
        if (!is_free(&p->all[i])) continue;
        unlink_job(p, job);
        start(&p->all[i], job);
    }
}

void dxdb_pool_run(dxdb_pool *p, uint32_t query, int count, const char *const *values,
                   dxdb_job_fn *done, void *user)
{
    if (p->waiting >= p->config->waiting_max) {
        done(user, DXDB_UNAVAILABLE, NULL, "too many requests wait for the database");
        return;
    }
    dxdb_job *job = prog_alloc(sizeof *job);
    memset(job, 0, sizeof *job);
    job->pool = p;
    job->query = query;
    job->count = count;
    job->values = values;
    job->done = done;
    job->user = user;
    dx_reactor_op_init(&job->timer_op, on_deadline, job);
    if (dx_reactor_timer(p->reactor, &job->timer_op, p->config->request_ms * 1000000)) {
        free(job);
        done(user, DXDB_UNAVAILABLE, NULL, "too much is under way");
        return;
    }
    *p->last = job;
    p->last = &job->next;
    p->waiting++;
    match(p);
}

/* >>calls of a connection ---------------------------------------------------------- */
static void on_opened(dxdb_connection *connection)
{
    dxdb_pooled *c = connection->user;
    char limit[24];
    const char *values[1] = {limit};
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)c->pool->config->request_ms);
    c->pool->open++;
    c->was_open = true;
    c->setup = 2;
    c->generation = c->pool->generation;
    memset(c->prepared, 0, sizeof c->prepared);
    (void)(dxdb_connection_run(connection, settings, 1, values) &&
           dxdb_connection_sync(connection));
}

static void on_answered(dxdb_connection *connection, PGresult *result)
{
    dxdb_pooled *c = connection->user;
    const ExecStatusType status = PQresultStatus(result);
    if (c->setup) {
        c->setup--;
        if (status == PGRES_FATAL_ERROR)
            dxdb_connection_drop(connection, PQresultErrorMessage(result));
        else if (!c->setup) match(c->pool);
        return;
    }
    dxdb_job *job = c->job;
    assert(job);
    if (status == PGRES_FATAL_ERROR) {
        char why[DXDB_TEXT_SIZE];
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        dxdb_first_line(why, sizeof why, message ? message : PQresultErrorMessage(result));
        c->prepared[job->query] = 0; /* the next job finds out why */
        c->generation = c->pool->generation - 1;
        report(job, status_of(result), NULL, why);
    } else if (status == PGRES_TUPLES_OK) {
        report(job, DXDB_OK, result, NULL);
    } else if (status == PGRES_PIPELINE_SYNC) {
        report(job, DXDB_FAILED, NULL, "it returns no rows");
        let_go(c);
        match(c->pool);
    }
}

static void on_notified(dxdb_connection *connection, const char *channel, const char *payload)
{
    (void)connection;
    (void)channel;
    (void)payload;
}

static void on_lost(dxdb_connection *connection, const char *why)
{
    dxdb_pooled *c = connection->user;
    char text[DXDB_TEXT_SIZE + 40];
    c->setup = 0;
    if (c->was_open) c->pool->open--;
    c->was_open = false;
    if (!c->job) return;
    snprintf(text, sizeof text, "the connection to the database was lost: %s", why);
    report(c->job, DXDB_UNAVAILABLE, NULL, text);
    let_go(c);
}

static const dxdb_connection_calls calls = {on_opened, on_answered, on_notified, on_lost};

/* >>all of them --------------------------------------------------------------------- */
void dxdb_pool_begin(dxdb_pool *p, dx_reactor *r, const dxdb_config *config, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->config = config;
    p->reactor = r;
    p->last = &p->first;
    p->is_paused = true;
    p->all = prog_alloc(config->pool * sizeof *p->all);
    memset(p->all, 0, config->pool * sizeof *p->all);
    for (uint32_t i = 0; i < config->pool; i++) {
        p->all[i].pool = p;
        dxdb_connection_begin(&p->all[i].connection, r, config->url, &calls, &p->all[i],
                              seed + i * (uint64_t)0x9e3779b97f4a7c15);
    }
}

void dxdb_pool_pause(dxdb_pool *p) { p->is_paused = true; }

void dxdb_pool_resume(dxdb_pool *p, uint32_t generation)
{
    p->generation = generation;
    p->is_paused = false;
    match(p);
}

void dxdb_pool_end(dxdb_pool *p)
{
    p->is_paused = true;
    while (p->first) {
        dxdb_job *job = p->first;
        unlink_job(p, job);
        report(job, DXDB_UNAVAILABLE, NULL, "the server is shutting down");
        retire(job);
    }
    for (uint32_t i = 0; i < p->config->pool; i++) {
        dxdb_pooled *c = &p->all[i];
        if (c->job) report(c->job, DXDB_UNAVAILABLE, NULL, "the server is shutting down");
        let_go(c);
        dxdb_connection_end(&c->connection);
    }
}

bool dxdb_pool_is_ended(const dxdb_pool *p)
{
    for (uint32_t i = 0; i < p->config->pool; i++)
        if (!dxdb_connection_is_ended(&p->all[i].connection)) return false;
    return true;
}
