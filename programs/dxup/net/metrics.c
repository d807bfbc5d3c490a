/* Counters of a server. See metrics.h. */
#include "metrics.h"

#include <stdio.h>

void dxup_count(uint64_t *counter, uint64_t more)
{
    __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

void dxup_count_down(uint64_t *counter) { __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED); }

uint64_t dxup_counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* NULL for the help: one more row of the metric before. */
static void put(prog_line *l, const char *name, const char *kind, const char *help,
                const char *label, const uint64_t *counter)
{
    char text[400];
    if (help) {
        snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
        prog_line_put_text(l, text);
    }
    snprintf(text, sizeof text, "%s%s %llu\n", name, label,
             (unsigned long long)dxup_counted(counter));
    prog_line_put_text(l, text);
}

void dxup_metrics_put(prog_line *l, const dxup_metrics *m)
{
    static const char *const outcomes[] = {"{outcome=\"unchanged\"}", "{outcome=\"patch\"}",
                                           "{outcome=\"full\"}"};
    static const char *const classes[] = {"{status=\"2xx\"}", "{status=\"3xx\"}",
                                          "{status=\"4xx\"}", "{status=\"5xx\"}"};
    for (unsigned i = 0; i < 3; i++)
        put(l, "dxup_pulls_total", "counter",
            i ? NULL : "Pulls that were answered, by what was sent.", outcomes[i], &m->pulls[i]);
    put(l, "dxup_pulls_refused_total", "counter", "Pulls that were answered with an error.", "",
        &m->refused);
    put(l, "dxup_sent_bytes_total", "counter", "Bytes of patches and content that were sent.", "",
        &m->sent);
    put(l, "dxup_spared_bytes_total", "counter",
        "Bytes of versions that were not sent, because the client had them.", "", &m->spared);
    for (unsigned i = 0; i < 4; i++)
        put(l, "dxup_http_answers_total", "counter",
            i ? NULL : "Answers of HTTP, by the class of their status.", classes[i],
            &m->http[i + 2]);
    put(l, "dxup_connections_total", "counter", "Connections of dxup pull since the start.", "",
        &m->connected);
    put(l, "dxup_connections", "gauge", "Connections of dxup pull now.", "", &m->connections);
    put(l, "dxup_transfers", "gauge", "Transfers of dxup pull under way now.", "", &m->transfers);
}
