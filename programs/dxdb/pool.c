/* Connections that run queries and writes. See pool.h.

   A query is one round trip: the position of the log, then the query, each with its own snapshot, in a
   transaction that is rolled back, and its settings with it.
   A write is two: BEGIN, its statements, COMMIT; then the position, or ROLLBACK after a failure. Then the
   settings are reset, if anything can have changed them. What else it may have left is looked for
   together with the position; if there is something, or a statement was none of INSERT, UPDATE, DELETE,
   MERGE and SELECT, DISCARD ALL comes before the next job. */
#include "pool.h"

#include "catalog.h"
#include "health.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 1000 }; /* beyond the server's statement timeout; then the connection is dropped */

/* The text formats that rows.c parses, and read-only transactions: queries must not write. */
static const char settings[] = /* RESET ALL comes before, after a write */
    "SELECT set_config('application_name', 'dxdb', false),"
    " set_config('client_encoding', 'UTF8', false), set_config('DateStyle', 'ISO, YMD', false),"
    " set_config('TimeZone', 'UTC', false), set_config('IntervalStyle', 'postgres', false),"
    " set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false),"
    " set_config('default_transaction_read_only', 'on', false),"
    " set_config('statement_timeout', $1, false)";

/* The position after a write, and whether its session has what RESET ALL does not end. */
static const char after_sql[] =
    "SELECT (pg_current_wal_insert_lsn() - '0/0')::text, pg_my_temp_schema() <> 0"
    " OR current_user <> $1 OR session_user <> $1"
    " OR pg_advisory_unlock_all() IS NULL";

/* Is there a function that may change the session, called by a trigger or default, too? Asked once after
   each description of the queries, which a new function causes. */
static const char functions_sql[] =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    "  WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND n.nspname <> 'dxdb'"
    "  AND (l.lanname NOT IN ('sql', 'plpgsql')"
    "    OR p.prosrc ~* '(set_config|\\mset\\M|reset|execute|advisory|listen|temp|prepare)'))";

enum { TEXT_OID = 25 };

/* What a job sends beside its statements, which is prepared, too. The position of a query must be from
   before its snapshot, whatever isolation is the default. */
enum { BEGIN_READ, BEGIN_WRITE, COMMIT, ROLLBACK, RESET };
static const char *const controls[][2] = {
    {"begin_read", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"},
    {"begin_write", "BEGIN READ WRITE"},
    {"commit", "COMMIT"},
    {"rollback", "ROLLBACK"},
    {"reset", "RESET ALL"},
};

/* Phases of a job. A write in POSITION or RESULT is committed: the COMMIT was answered. */
enum { FIRST, POSITION, RESULT, ROLLING_BACK };

/* What is known of a write. UNKNOWN: its COMMIT may have been sent, and was not answered. */
enum { NOT_COMMITTED, COMMITTED, UNKNOWN };

/* Kinds of answers to the commands of a write. */
enum { EXPECT_NOTHING, EXPECT_COUNT, EXPECT_COMMIT };

/* Does the statement return other columns than when it was prepared? It is prepared again by the next
   job. PostgreSQL has no state of its own for it, and translates the message. */
static bool has_other_columns(const PGresult *result, const char *state)
{
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    return !strcmp(state, "0A000") && function && !strcmp(function, "RevalidateCachedQuery");
}

/* The status for the client, from an error of the database. */
static uint16_t status_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!state || has_other_columns(result, state)) return DXDB_UNAVAILABLE;
    if (!strncmp(state, "22", 2)) return DXDB_BAD_REQUEST; /* a value invalid for its type */
    if (!strncmp(state, "23", 2)) return DXDB_CONFLICT; /* a constraint */
    if (!strcmp(state, "57014")) return DXDB_TIMEOUT;
    if (!strncmp(state, "08", 2) || !strncmp(state, "53", 2) || !strncmp(state, "57", 2) ||
        !strncmp(state, "40", 2) || !strncmp(state, "55", 2))
        return DXDB_UNAVAILABLE;
    return DXDB_FAILED;
}

/* Does this error of a write prove that it is not committed? Only what the database says of a command that
   it rolls back. That it ends the connection can come between a commit and its answer, and a pooler may have
   lost the answer (08...); errors of libpq itself have no SQLSTATE. */
static bool proves_failure(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (!state || !severity || strcmp(severity, "ERROR")) return false;
    return strncmp(state, "08", 2) && strncmp(state, "57P", 3) && strcmp(state, "40003");
}

/* What is known of a write that has no good answer. */
static int end_of(const dxdb_job *job)
{
    assert(job->is_write);
    if (job->phase == POSITION || job->phase == RESULT) return COMMITTED;
    return job->asks_commit ? UNKNOWN : NOT_COMMITTED;
}

/* >>jobs ---------------------------------------------------------------------- */
static void report(dxdb_job *job, uint16_t status, const PGresult *result, const char *why)
{
    const dxdb_outcome outcome = {
        .status = status,
        .why = why,
        .result = result,
        .position = job->position,
        .counts = job->counts,
        .count = job->executed,
        .run_ns = job->begun_ns ? dx_reactor_now_ns(job->pool->reactor) - job->begun_ns + 1 : 0,
    };
    dxdb_job_fn *done = job->done;
    job->done = NULL;
    if (done) done(job->user, &outcome);
}

/* A write has no good answer, because of `why`. */
static void report_end(dxdb_job *job, uint16_t status, const char *why)
{
    static const char *const formats[] = {"%s", "it was committed, but %s", "%s; it may have been committed"};
    char text[DXDB_TEXT_SIZE + 48];
    const int end = end_of(job);
    snprintf(text, sizeof text, formats[end], why);
    report(job, end == NOT_COMMITTED ? DXDB_UNAVAILABLE : status, NULL, text);
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
    char why[DXDB_HEALTH_SIZE];
    (void)flags;
    if (job->is_over) {
        free(job);
    } else if (result < 0) {
        return;
    } else if (!job->on) {
        unlink_job(p, job);
        report(job, DXDB_UNAVAILABLE, NULL, dxdb_health_get(why) || (p->open && !p->is_paused)
             ? "no connection to the database was free in time" : why);
        retire(job);
    } else if (job->done) {
        if (!job->is_write) report(job, DXDB_TIMEOUT, NULL, "the query took too long");
        else report_end(job, DXDB_TIMEOUT, end_of(job) == COMMITTED ? "its position did not arrive in time"
                        : "the transaction took too long");
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

static void forget_prepared(dxdb_pooled *c)
{
    memset(c->prepared, 0, sizeof c->prepared);
    memset(c->prepared_writes, 0, sizeof c->prepared_writes);
    memset(c->prepared_controls, 0, sizeof c->prepared_controls);
    c->prepared_position = false;
    c->prepared_after = false;
    c->knows_functions = false;
    c->prepared_settings = false;
}

/* Send one of `controls`. */
static bool send_control(dxdb_pooled *c, int which)
{
    dxdb_job *job = c->job;
    if (!c->prepared_controls[which]) {
        c->prepared_controls[which] = true;
        job->expects[job->expected++] = EXPECT_NOTHING;
        if (!dxdb_connection_prepare(&c->connection, controls[which][0], controls[which][1], 0, NULL))
            return false;
    }
    job->expects[job->expected++] = which == COMMIT ? EXPECT_COMMIT : EXPECT_NOTHING;
    if (which == COMMIT) job->asks_commit = true; /* libpq may send it even if it reports an error */
    return dxdb_connection_execute(&c->connection, controls[which][0], 0, NULL);
}

/* Set what the session needs, as when it was opened. */
static bool send_settings(dxdb_pooled *c)
{
    char limit[24];
    const char *values[1] = {limit};
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)c->pool->config->request_ms);
    if (!c->prepared_settings) {
        c->prepared_settings = true;
        if (!dxdb_connection_prepare(&c->connection, "settings", settings, 0, NULL)) return false;
    }
    return dxdb_connection_execute(&c->connection, "settings", 1, values);
}

static bool send_position(dxdb_pooled *c)
{
    if (!c->prepared_position) {
        c->prepared_position = true;
        if (!dxdb_connection_prepare(&c->connection, "position", dxdb_position_sql, 0, NULL))
            return false;
    }
    return dxdb_connection_execute(&c->connection, "position", 0, NULL);
}

/* After a write: its position; and the settings as before, if it may have changed them. */
static bool send_after(dxdb_pooled *c)
{
    const char *values[1] = {PQuser(c->connection.pg)};
    const bool resets = c->must_reset || c->has_functions || !c->knows_functions;
    if (!c->prepared_after) {
        c->prepared_after = true;
        if (!dxdb_connection_prepare(&c->connection, "after", after_sql, 0, NULL)) return false;
    }
    if (!dxdb_connection_execute(&c->connection, "after", 1, values)) return false;
    if (!c->knows_functions && !dxdb_connection_run(&c->connection, functions_sql, 0, NULL)) return false;
    if (resets && !(send_control(c, RESET) && send_settings(c))) return false;
    return dxdb_connection_sync(&c->connection);
}

/* Does it have this word, in whatever case? */
static bool has_word(const char *sql, const char *word)
{
    for (; *sql; sql++) {
        size_t same = 0;
        while (word[same] && tolower((unsigned char)sql[same]) == word[same]) same++;
        if (!word[same]) return true;
    }
    return false;
}

static void send_query(dxdb_pooled *c, dxdb_job *job)
{
    char name[24];
    snprintf(name, sizeof name, "q%u", (unsigned)job->query);
    const char *sql = c->pool->config->queries[job->query].sql;
    job->phase = POSITION;
    if (has_word(sql, "advisory")) c->must_discard = true; /* such locks outlive a rollback */
    if (!send_position(c)) return;
    if (!c->prepared[job->query]) {
        c->prepared[job->query] = 1;
        if (!dxdb_connection_prepare(&c->connection, name, sql, 0, NULL)) return;
    }
    (void)(dxdb_connection_execute(&c->connection, name, job->count, job->values) &&
           send_control(c, ROLLBACK) && dxdb_connection_sync(&c->connection));
}

/* Prepare a statement of a write. */
static bool prepare_statement(dxdb_pooled *c, dxdb_job *job, const char *name, const char *sql)
{
    Oid types[DXDB_PARAMETERS_MAX];
    dxdb_parameter_types(sql, (uint32_t)job->count, types);
    job->expects[job->expected++] = EXPECT_NOTHING;
    return dxdb_connection_prepare(&c->connection, name, sql, job->count, types);
}

static void send_write(dxdb_pooled *c, dxdb_job *job)
{
    const dxdb_write_config *w = &c->pool->config->writes[job->query];
    const bool is_prepared = c->prepared_writes[job->query];
    c->prepared_writes[job->query] = 1;
    c->must_reset = false;
    for (uint32_t i = 0; i < w->statement_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "w%u_%u", (unsigned)job->query, (unsigned)i);
        if (!is_prepared && !prepare_statement(c, job, name, w->statements[i])) return;
        if (has_word(w->statements[i], "set_config")) c->must_reset = true;
        job->expects[job->expected++] = EXPECT_COUNT;
        if (!dxdb_connection_execute(&c->connection, name, job->count, job->values)) return;
    }
    (void)(send_control(c, COMMIT) && dxdb_connection_sync(&c->connection));
}

/* Send the commands of a job. */
static void start(dxdb_pooled *c, dxdb_job *job)
{
    dxdb_pool *p = c->pool;
    c->job = job;
    job->on = c;
    job->begun_ns = dx_reactor_now_ns(p->reactor);
    p->running++;
    /* First of all: after another command it cannot be READ WRITE. */
    if (!send_control(c, job->is_write ? BEGIN_WRITE : BEGIN_READ)) return;
    if (c->generation != p->generation) {
        c->generation = p->generation;
        forget_prepared(c);
        job->expects[job->expected++] = EXPECT_NOTHING;
        if (!dxdb_connection_run(&c->connection, "DEALLOCATE ALL", 0, NULL)) return;
    }
    if (job->is_write) {
        send_write(c, job);
    } else {
        p->executed++;
        send_query(c, job);
    }
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

static void add(dxdb_pool *p, bool is_write, uint32_t query, int count, const char *const *values,
                dxdb_job_fn *done, void *user)
{
    dxdb_outcome refusal = {.status = DXDB_UNAVAILABLE,
                            .why = "too many requests wait for the database"};
    if (p->waiting >= p->config->waiting_max) {
        done(user, &refusal);
        return;
    }
    dxdb_job *job = prog_alloc(sizeof *job);
    memset(job, 0, sizeof *job);
    job->pool = p;
    job->is_write = is_write;
    job->query = query;
    job->count = count;
    job->values = values;
    job->done = done;
    job->user = user;
    dx_reactor_op_init(&job->timer_op, on_deadline, job);
    if (dx_reactor_timer(p->reactor, &job->timer_op, p->config->request_ms * 1000000)) {
        free(job);
        refusal.why = "too much is under way";
        done(user, &refusal);
        return;
    }
    *p->last = job;
    p->last = &job->next;
    p->waiting++;
    match(p);
}

void dxdb_pool_run(dxdb_pool *p, uint32_t query, int count, const char *const *values,
                   dxdb_job_fn *done, void *user)
{
    add(p, false, query, count, values, done, user);
}

void dxdb_pool_write(dxdb_pool *p, uint32_t write, int count, const char *const *values,
                     dxdb_job_fn *done, void *user)
{
    add(p, true, write, count, values, done, user);
}

/* >>calls of a connection ---------------------------------------------------------- */
static void on_opened(dxdb_connection *connection)
{
    dxdb_pooled *c = connection->user;
    c->pool->open++;
    c->was_open = true;
    c->must_discard = false;
    c->setup = 3; /* prepared, executed, sync */
    c->generation = c->pool->generation;
    forget_prepared(c);
    (void)(send_settings(c) && dxdb_connection_sync(connection));
}

/* Begin the session anew. It is free when all answers have arrived. */
static void discard(dxdb_pooled *c)
{
    c->must_discard = false;
    c->setup = 5; /* DISCARD ALL, sync, prepared, executed, sync */
    c->generation = c->pool->generation;
    forget_prepared(c);
    (void)(dxdb_connection_run(&c->connection, "DISCARD ALL", 0, NULL) &&
           dxdb_connection_sync(&c->connection) && send_settings(c) &&
           dxdb_connection_sync(&c->connection));
}

/* A command of the job has failed. Its statements are prepared again by the next job, because it is
   unknown which of them are. A COMMIT that fails can still be one that was made, if the database then ends
   the connection: its error is reported when the sync is answered. */
static void handle_failure(dxdb_pooled *c, const PGresult *result)
{
    dxdb_job *job = c->job;
    char why[DXDB_TEXT_SIZE];
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    dxdb_first_line(why, sizeof why, message ? message : "the connection to the database was lost");
    c->generation = c->pool->generation - 1;
    if (job->is_write) c->must_discard = true;
    if (job->is_write && end_of(job) == COMMITTED) {
        report_end(job, DXDB_FAILED, "its position is not known");
    } else if (job->is_write && !proves_failure(result)) {
        report_end(job, DXDB_FAILED, why);
    } else if (job->is_write && job->phase == FIRST && job->expects[job->answers] == EXPECT_COMMIT) {
        job->failure = status_of(result);
        snprintf(job->failed, sizeof job->failed, "%s", why);
    } else {
        report(job, status_of(result), NULL, why);
    }
}

static void finish(dxdb_pooled *c)
{
    if (c->job->is_write && c->job->done)
        report_end(c->job, DXDB_FAILED, "the database does not say what became of it");
    let_go(c);
    if (c->must_discard && c->connection.is_open) discard(c);
    match(c->pool);
}

static void roll_back(dxdb_pooled *c)
{
    c->job->phase = ROLLING_BACK;
    (void)(dxdb_connection_run(&c->connection, "ROLLBACK", 0, NULL) &&
           dxdb_connection_sync(&c->connection));
}

static uint64_t parse_number(const PGresult *result)
{
    return PQntuples(result) == 1 ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
}

static void handle_query(dxdb_pooled *c, PGresult *result)
{
    dxdb_job *job = c->job;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK && job->phase == POSITION) {
        job->position = parse_number(result);
        job->phase = RESULT;
    } else if (status == PGRES_TUPLES_OK) {
        report(job, DXDB_OK, result, NULL);
    } else if (status == PGRES_PIPELINE_SYNC && PQtransactionStatus(c->connection.pg) != PQTRANS_IDLE) {
        roll_back(c); /* after a failure */
    } else if (status == PGRES_PIPELINE_SYNC) {
        report(job, DXDB_FAILED, NULL, "it returns no rows");
        finish(c);
    }
}

/* All answers up to the COMMIT have arrived. */
static void end_transaction(dxdb_pooled *c)
{
    dxdb_job *job = c->job;
    if (job->failure) report(job, job->failure, NULL, job->failed);
    if (job->phase == RESULT) {
        job->phase = POSITION;
        (void)send_after(c);
    } else if (PQtransactionStatus(c->connection.pg) != PQTRANS_IDLE) {
        roll_back(c);
    } else {
        finish(c);
    }
}

/* Was it a statement that changes nothing of the session, but for what send_after() looks for? */
static bool is_plain(PGresult *result)
{
    static const char *const tags[] = {"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (!strncmp(PQcmdStatus(result), tags[i], strlen(tags[i]))) return true;
    return false;
}

static void handle_write(dxdb_pooled *c, PGresult *result)
{
    dxdb_job *job = c->job;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        if (job->phase == FIRST || job->phase == RESULT) end_transaction(c);
        else finish(c);
    } else if (job->phase == POSITION) {
        if (status != PGRES_TUPLES_OK || PQntuples(result) != 1) return;
        if (PQnfields(result) == 1) { /* of functions_sql */
            c->has_functions = strcmp(PQgetvalue(result, 0, 0), "f") != 0;
            c->knows_functions = true;
        }
        if (PQnfields(result) != 2) return;
        if (strcmp(PQgetvalue(result, 0, 1), "f")) c->must_discard = true;
        job->position = parse_number(result);
        report(job, DXDB_OK, NULL, NULL);
    } else if (job->phase == FIRST && status != PGRES_PIPELINE_ABORTED) {
        assert(job->answers < job->expected);
        const int expected = job->expects[job->answers++];
        if (expected == EXPECT_COUNT && !is_plain(result)) c->must_discard = true;
        if (expected == EXPECT_COUNT)
            job->counts[job->executed++] = strtoull(PQcmdTuples(result), NULL, 10);
        if (expected != EXPECT_COMMIT) return;
        if (!strcmp(PQcmdStatus(result), "COMMIT")) {
            job->phase = RESULT;
            c->pool->written++;
        } else if (!strcmp(PQcmdStatus(result), "ROLLBACK")) {
            report(job, DXDB_FAILED, NULL, "the transaction was rolled back");
        } else {
            report_end(job, DXDB_FAILED, "the database does not say what became of it");
        }
    }
}

static void on_answered(dxdb_connection *connection, PGresult *result)
{
    dxdb_pooled *c = connection->user;
    const ExecStatusType status = PQresultStatus(result);
    if (c->setup) {
        c->setup--;
        if (status == PGRES_FATAL_ERROR)
            dxdb_connection_fail(connection, PQresultErrorMessage(result));
        else if (!c->setup) match(c->pool);
        return;
    }
    assert(c->job);
    if (status == PGRES_FATAL_ERROR) handle_failure(c, result);
    else if (c->job->is_write) handle_write(c, result);
    else handle_query(c, result);
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
    char text[DXDB_TEXT_SIZE + 48];
    static const char lost[] = "the connection to the database was lost";
    (void)why;
    c->setup = 0;
    if (c->was_open) c->pool->open--;
    c->was_open = false;
    if (!c->job) return;
    if (!c->job->is_write) {
        snprintf(text, sizeof text, "%s: %s", lost, connection->reason);
        report(c->job, DXDB_UNAVAILABLE, NULL, text);
    } else {
        report_end(c->job, DXDB_FAILED, lost);
    }
    let_go(c);
}

static const dxdb_connection_calls calls = {on_opened, on_answered, on_notified, on_lost, NULL, NULL};

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
        if (c->job && !c->job->is_write)
            report(c->job, DXDB_UNAVAILABLE, NULL, "the server is shutting down");
        else if (c->job)
            report_end(c->job, DXDB_FAILED, "the server is shutting down");
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
