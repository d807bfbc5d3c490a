/* Counters of a worker. See metrics.h. */
#include "metrics.h"

void dxdb_metrics_count(uint64_t classes[6], uint16_t status)
{
    const unsigned class = status / 100u;
    classes[class < 6 ? class : 5]++;
}

void dxdb_metrics_put(dxdb_text *t, const char *name, const char *kind, const char *help,
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
    dxdb_metrics_put(t, "dxdb_hits_total", counter, "Requests that the cache has answered.",
                     m->hits);
    dxdb_metrics_put(t, "dxdb_loads_total", counter, "Queries that were begun.", m->loads);
    dxdb_metrics_put(t, "dxdb_joined_total", counter,
                     "Requests that waited for a query of another request.", m->joined);
    dxdb_metrics_put(t, "dxdb_failed_total", counter, "Queries that failed.", m->failed);
    dxdb_metrics_put(t, "dxdb_outdated_total", counter,
                     "Results that were not kept, because a table changed meanwhile.", m->outdated);
    dxdb_metrics_put(t, "dxdb_invalidations_total", counter, "Changes of tables that were told.",
                     m->invalidations);
    dxdb_metrics_put(t, "dxdb_resets_total", counter,
                     "Times when everything was dropped: the database was away, or its schema "
                     "changed.", m->resets);
    put_classes(t, "dxdb_hbtp_answers_total", "Answers of HBTP, by the class of their status.",
                m->hbtp);
    put_classes(t, "dxdb_http_answers_total", "Answers of HTTP, by the class of their status.",
                m->http);
    dxdb_metrics_put(t, "dxdb_hbtp_connections", gauge, "Connections of HBTP now.", m->hbtp_links);
    dxdb_metrics_put(t, "dxdb_http_connections", gauge, "Connections of HTTP now.", m->http_links);
}
