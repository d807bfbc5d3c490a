/* Counters of a worker. See metrics.h. */
#include "metrics.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards published */
static dxdb_metrics published[DXDB_WORKERS_MAX];
static uint32_t published_count; /* one more than the largest index */

void dxdb_metrics_publish(uint32_t index, const dxdb_metrics *m)
{
    assert(index < DXDB_WORKERS_MAX);
    pthread_mutex_lock(&lock);
    published[index] = *m;
    if (published_count <= index) published_count = index + 1;
    pthread_mutex_unlock(&lock);
}

void dxdb_metrics_sum(dxdb_metrics *sum)
{
    enum { COUNT = sizeof *sum / sizeof(uint64_t) };
    uint64_t *to = (uint64_t *)(void *)sum;
    memset(sum, 0, sizeof *sum);
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < published_count; i++) {
        const uint64_t *from = (const uint64_t *)(const void *)&published[i];
        for (uint32_t k = 0; k < COUNT; k++) to[k] += from[k];
    }
    pthread_mutex_unlock(&lock);
}

void dxdb_metrics_forget(void)
{
    pthread_mutex_lock(&lock);
    memset(published, 0, published_count * sizeof *published);
    published_count = 0;
    pthread_mutex_unlock(&lock);
}

void dxdb_metrics_count(uint64_t classes[6], uint16_t status)
{
    const unsigned class = status / 100u;
    classes[class < 6 ? class : 5]++;
}

static void put(dxdb_text *t, const char *name, const char *kind, const char *help,
                uint64_t value)
{
    dxdb_text_format(t, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, kind, name,
        (unsigned long long)value);
}

static void put_classes(dxdb_text *t, const char *name, const char *help,
                        const uint64_t classes[6])
{
    dxdb_text_format(t, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (unsigned i = 2; i < 6; i++)
        dxdb_text_format(t, "%s{status=\"%uxx\"} %llu\n", name, i, (unsigned long long)classes[i]);
}

void dxdb_metrics_put_all(dxdb_text *t, const dxdb_metrics *m)
{
    static const char counter[] = "counter", gauge[] = "gauge";
    put(t, "dxdb_hits_total", counter, "Requests that the cache has answered.",
        m->hits);
    put(t, "dxdb_loads_total", counter, "Queries that were begun.", m->loads);
    put(t, "dxdb_joined_total", counter,
        "Requests that waited for a query of another request.", m->joined);
    put(t, "dxdb_failed_total", counter, "Queries that failed.", m->failed);
    put(t, "dxdb_outdated_total", counter,
        "Results that were not kept, because a table changed meanwhile.", m->outdated);
    put(t, "dxdb_invalidations_total", counter, "Changes of tables that were told.",
        m->invalidations);
    put(t, "dxdb_resets_total", counter,
        "Times when everything was dropped: the database was away, or its schema "
        "changed.", m->resets);
    put_classes(t, "dxdb_hbtp_answers_total", "Answers of HBTP, by the class of their status.",
                m->hbtp);
    put_classes(t, "dxdb_http_answers_total", "Answers of HTTP, by the class of their status.",
                m->http);
    put(t, "dxdb_hbtp_connections", gauge, "Connections of HBTP now.", m->hbtp_links);
    put(t, "dxdb_http_connections", gauge, "Connections of HTTP now.", m->http_links);
    put(t, "dxdb_websockets", gauge, "Connections of HTTP that are a WebSocket now.", m->websockets);
    put(t, "dxdb_cache_entries", gauge,
        "Results in the cache, with those that are invalid and not swept yet.", m->entries);
    put(t, "dxdb_cache_bytes", gauge, "Bytes of them.", m->bytes);
    put(t, "dxdb_cache_evicted_total", counter, "Results that went for room.", m->evicted);
    put(t, "dxdb_notifications_total", counter, "Notifications of the database.",
        m->notifications);
    put(t, "dxdb_queries_total", counter, "Queries that were sent to the database.", m->queries);
    put(t, "dxdb_pool_connections", gauge, "Connections that run queries, open.", m->open);
    put(t, "dxdb_pool_running", gauge, "Queries that run now.", m->running);
    put(t, "dxdb_pool_waiting", gauge, "Queries that wait for a connection.", m->waiting);
    put(t, "dxdb_writes_total", counter, "Transactions that were committed.", m->writes);
    put(t, "dxdb_followed", gauge, "Results that are kept up to date for subscribers.", m->followed);
    put(t, "dxdb_followed_bytes", gauge, "Bytes of them.", m->followed_bytes);
    put(t, "dxdb_subscriptions", gauge, "Subscriptions to them.", m->subscriptions);
    put(t, "dxdb_refreshed_total", counter, "Changes of followed results.", m->refreshed);
    put(t, "dxdb_patches_total", counter, "Patches made of these changes.", m->patches);
    put(t, "dxdb_sent_patches_total", counter, "Frames with a patch, sent to subscribers.",
        m->sent_patches);
    put(t, "dxdb_sent_wholes_total", counter, "Frames with a whole result, sent to subscribers.",
        m->sent_wholes);
    put(t, "dxdb_ended_total", counter, "Followed results that ended with a reason.", m->ended);
    put(t, "dxdb_hbtp_unread_bytes", gauge, "Bytes of answers of HBTP that wait until others are read.",
        m->kept_bytes);
    put(t, "dxdb_hbtp_unread_refused_total", counter, "Answers of HBTP that were refused because too "
        "many bytes waited.", m->kept_refused);
    put(t, "dxdb_lagging_total", counter, "Clients that were closed because they did not read.",
        m->lagging);
    dxdb_text_add(t, "# HELP dxdb_stuck_total Connections that were cut off because their output did "
                     "not move, by where it was.\n# TYPE dxdb_stuck_total counter\n");
    dxdb_text_format(t, "dxdb_stuck_total{output=\"tls\"} %llu\n", (unsigned long long)m->stuck_tls);
    dxdb_text_format(t, "dxdb_stuck_total{output=\"websocket\"} %llu\n", (unsigned long long)m->stuck_ws);
    dxdb_text_add(t, "# HELP dxdb_source Workers, by where they get changes from.\n"
                     "# TYPE dxdb_source gauge\n");
    dxdb_text_format(t, "dxdb_source{source=\"triggers\"} %llu\n", (unsigned long long)m->triggered);
    dxdb_text_format(t, "dxdb_source{source=\"replication\"} %llu\n", (unsigned long long)m->replicates);
    put(t, "dxdb_replication_lag_bytes", gauge, "Bytes of the log that were written at the last "
        "heartbeat, and that replication has not delivered, of all workers.", m->lag);
    put(t, "dxdb_up", gauge, "Workers that hear of every change.", m->up);
}

/* Names of queries need no escapes: config.c allows only letters, digits, '_' and '-'. */
static void put_of_each(dxdb_text *t, const char *name, const char *help, const dxdb_metrics *m,
                        const dxdb_config *config, size_t field)
{
    dxdb_text_format(t, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (uint32_t i = 0; i < config->query_count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&m->query[i] + field, sizeof value);
        dxdb_text_format(t, "%s{query=\"%s\"} %llu\n", name, config->queries[i].name,
                         (unsigned long long)value);
    }
}

void dxdb_metrics_put_queries(dxdb_text *t, const dxdb_metrics *m, const dxdb_config *config)
{
    static const char seconds[] = "dxdb_query_seconds_total";
    assert(config->query_count <= DXDB_QUERIES_MAX);
    put_of_each(t, "dxdb_query_requests_total", "Requests for the query, of clients and to read a "
                "followed result.", m, config, offsetof(dxdb_query_metrics, requests));
    put_of_each(t, "dxdb_query_hits_total", "Of these, those that the cache has answered.", m, config,
                offsetof(dxdb_query_metrics, hits));
    put_of_each(t, "dxdb_query_misses_total", "Of these, those that ran the query or joined one that ran.",
                m, config, offsetof(dxdb_query_metrics, misses));
    put_of_each(t, "dxdb_query_errors_total", "Of these, those that were not answered with a result.", m,
                config, offsetof(dxdb_query_metrics, errors));
    put_of_each(t, "dxdb_query_runs_total", "Times that the query was run in the database.", m, config,
                offsetof(dxdb_query_metrics, runs));
    dxdb_text_format(t, "# HELP %s Time of these runs, without the wait for a connection.\n"
                        "# TYPE %s counter\n", seconds, seconds);
    for (uint32_t i = 0; i < config->query_count; i++)
        dxdb_text_format(t, "%s{query=\"%s\"} %llu.%06llu\n", seconds, config->queries[i].name,
                         (unsigned long long)(m->query[i].run_us / 1000000),
                         (unsigned long long)(m->query[i].run_us % 1000000));
}
