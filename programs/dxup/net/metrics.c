/* Counters of a server. See metrics.h. */
#include "metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

/* Guards all counters: some 32-bit machines have no 64-bit atomics. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void dxup_count(uint64_t *counter, uint64_t more)
{
    pthread_mutex_lock(&lock);
    *counter += more;
    pthread_mutex_unlock(&lock);
}

void dxup_count_down(uint64_t *counter)
{
    pthread_mutex_lock(&lock);
    assert(*counter > 0);
    *counter -= 1;
    pthread_mutex_unlock(&lock);
}

dxup_metrics dxup_metrics_now(const dxup_metrics *m)
{
    pthread_mutex_lock(&lock);
    const dxup_metrics now = *m;
    pthread_mutex_unlock(&lock);
    return now;
}

/* Append a metric. help NULL: a further sample of the previous metric. */
static void put(prog_line *l, const char *name, const char *kind, const char *help,
                const char *label, const uint64_t *counter)
{
    char text[400];
    if (help) {
        snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
        prog_line_put_text(l, text);
    }
    snprintf(text, sizeof text, "%s%s %llu\n", name, label,
             (unsigned long long)*counter);
    prog_line_put_text(l, text);
}

void dxup_metrics_put(prog_line *l, const dxup_metrics *all)
{
    const dxup_metrics now = dxup_metrics_now(all), *m = &now;
    static const char *const outcomes[] = {"{outcome=\"unchanged\"}", "{outcome=\"patch\"}",
                                           "{outcome=\"full\"}"};
    static const char *const classes[] = {"{status=\"2xx\"}", "{status=\"3xx\"}",
                                          "{status=\"4xx\"}", "{status=\"5xx\"}"};
    for (unsigned i = 0; i < 3; i++)
        put(l, "dxup_pulls_total", "counter",
            i ? NULL : "Answered pulls, by the form that was sent.", outcomes[i], &m->pulls[i]);
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
    put(l, "dxup_damaged_total", "counter",
        "Answers that ended early, because the store could not be read.", "", &m->damaged);
    put(l, "dxup_log_dropped_total", "counter", "Lines of the log that were lost.", "",
        &m->log_dropped);
    put(l, "dxup_connections_total", "counter", "Connections of dxup pull since the start.", "",
        &m->connected);
    put(l, "dxup_connections", "gauge", "Connections of dxup pull now.", "", &m->connections);
    put(l, "dxup_transfers", "gauge", "Transfers of dxup pull under way now.", "", &m->transfers);
}
