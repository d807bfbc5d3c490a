/* The metrics of a daemon. See metrics.h. */
#include "metrics.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What is written of one job, copied under the locks. */
typedef struct row {
    char               name[WAN_LABEL_MAX + 1];
    wan_totals         totals;
    uint64_t           errors[WAN_ERRORS];
    uint32_t           wanted, active;
    int32_t            level;
    int                health;
    wan_breaker        breaker;
    wan_stream_figures streams[WAN_STREAMS_MAX];
} row;

/* Of a receiver. */
typedef struct refused {
    char     name[WAN_LABEL_MAX + 1];
    uint64_t counts[WAN_REFUSALS];
} refused;

typedef struct table {
    row     *rows;
    uint32_t count;
    bool     enabled;
    uint64_t files; /* that receivers have stored */
    refused *refused;
    uint32_t refused_count;
} table;

int wan_job_health(const wan_job *job)
{
    const wan_figures *f = &job->figures;
    if (job->to->breaker.state != WAN_CLOSED || !f->active) return 0;
    return f->active * 2 >= f->wanted ? 2 : 1;
}

static void collect(wan_jobs *j, table *t)
{
    pthread_mutex_lock(&j->lock);
    t->rows = prog_alloc((j->count + 1) * sizeof *t->rows);
    t->refused = prog_alloc((j->count + 1) * sizeof *t->refused);
    t->enabled = j->config.enabled;
    for (uint32_t i = 0; i < j->count; i++) {
        wan_job *job = j->jobs[i];
        wan_figures *f = &job->figures;
        t->files += job->received;
        if (!job->mirror.name) {
            refused *q = &t->refused[t->refused_count++];
            (void)snprintf(q->name, sizeof q->name, "%s", job->name);
            for (int k = 0; k < WAN_REFUSALS; k++) q->counts[k] = atomic_load(&job->refusals.counts[k]);
            continue;
        }
        row *r = &t->rows[t->count++];
        (void)snprintf(r->name, sizeof r->name, "%s", job->name);
        pthread_mutex_lock(&f->lock);
        r->totals = f->totals;
        memcpy(r->errors, f->errors, sizeof r->errors);
        memcpy(r->streams, f->streams, sizeof r->streams);
        r->wanted = f->wanted;
        r->active = f->active;
        r->level = f->level;
        r->health = wan_job_health(job);
        pthread_mutex_unlock(&f->lock);
        r->breaker = job->to->breaker;
    }
    pthread_mutex_unlock(&j->lock);
}

static void head(prog_line *l, const char *name, const char *kind, const char *help)
{
    char text[300];
    (void)snprintf(text, sizeof text, "# HELP dwcp_%s %s\n# TYPE dwcp_%s %s\n", name, help, name, kind);
    prog_line_put_text(l, text);
}

/* One value. more: further labels, such as ,a="b". */
static void value(prog_line *l, const char *name, const row *r, const char *more, double number)
{
    char text[300];
    (void)snprintf(text, sizeof text, "dwcp_%s{mirror=\"%s\"%s} %.17g\n", name, r->name, more, number);
    prog_line_put_text(l, text);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* A value of each mirror. */
static void each(prog_line *l, const table *t, const char *name, const char *kind, const char *help,
                 double (*of)(const row *r))
{
    head(l, name, kind, help);
    for (uint32_t i = 0; i < t->count; i++) value(l, name, &t->rows[i], "", of(&t->rows[i]));
}

static double active(const row *r) { return r->active; }
static double wanted(const row *r) { return r->wanted; }
static double received(const row *r) { return (double)r->totals.bytes_received; }
static double original(const row *r) { return (double)r->totals.state_bytes; }
static double compressed(const row *r) { return (double)r->totals.record_bytes; }
static double hit_rate(const row *r) { return percent(r->totals.deltas, r->totals.regions); }
static double level(const row *r) { return r->level; }
static double compared(const row *r) { return (double)r->totals.compared; }
static double rounds(const row *r) { return (double)r->totals.rounds; }
static double health(const row *r) { return r->health; }
static double breaker(const row *r) { return r->breaker.state; }
static double opened(const row *r) { return (double)r->breaker.opened; }
static double probes(const row *r) { return (double)r->breaker.probes; }
static double ratio(const row *r)
{
    const wan_totals *t = &r->totals;
    return t->record_bytes ? (double)t->state_bytes / (double)t->record_bytes : 0;
}

/* A value of each stream. */
static void put_streams(prog_line *l, const table *t, const char *name, const char *kind, const char *help,
                        double (*of)(const wan_stream_figures *s))
{
    char more[40];
    head(l, name, kind, help);
    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t k = 0; k < WAN_STREAMS_MAX; k++) {
            const wan_stream_figures *s = &t->rows[i].streams[k];
            if (!s->active && !s->bytes) continue;
            (void)snprintf(more, sizeof more, ",stream_id=\"%u\"", (unsigned)k);
            value(l, name, &t->rows[i], more, of(s));
        }
}

static double sent(const wan_stream_figures *s) { return (double)s->bytes; }
static double window(const wan_stream_figures *s) { return (double)s->window; }
static double round_trip(const wan_stream_figures *s) { return s->rtt_us / 1e6; }
static double state(const wan_stream_figures *s) { return s->state; }
static double repeated(const wan_stream_figures *s) { return s->retransmitted; }

static void put_latency(prog_line *l, const table *t)
{
    char more[40];
    head(l, "amst_latency_seconds", "histogram", "From a region's message to its answer.");
    for (uint32_t i = 0; i < t->count; i++) {
        const wan_totals *n = &t->rows[i].totals;
        uint64_t sum = 0;
        for (uint32_t k = 0; k < WAN_LATENCIES; k++) {
            sum += n->latency[k];
            if (k + 1 < WAN_LATENCIES)
                (void)snprintf(more, sizeof more, ",le=\"%.4f\"", 0.0001 * (double)(1u << k));
            else (void)snprintf(more, sizeof more, ",le=\"+Inf\"");
            value(l, "amst_latency_seconds_bucket", &t->rows[i], more, (double)sum);
        }
        value(l, "amst_latency_seconds_sum", &t->rows[i], "", (double)n->latency_us / 1e6);
        value(l, "amst_latency_seconds_count", &t->rows[i], "", (double)sum);
    }
}

static void put_labelled(prog_line *l, const table *t)
{
    char more[60];
    head(l, "amst_streams_total", "counter", "Streams that were accepted, and those that were lost.");
    for (uint32_t i = 0; i < t->count; i++) {
        const wan_totals *n = &t->rows[i].totals;
        value(l, "amst_streams_total", &t->rows[i], ",result=\"success\"", (double)n->streams_opened);
        value(l, "amst_streams_total", &t->rows[i], ",result=\"lost\"", (double)n->streams_lost);
    }
    head(l, "amst_errors_total", "counter", "Runs that failed, and waits for an open breaker.");
    for (uint32_t i = 0; i < t->count; i++)
        for (int e = 1; e < WAN_ERRORS; e++) {
            (void)snprintf(more, sizeof more, ",error_type=\"%s\"", wan_error_name((wan_error)e));
            value(l, "amst_errors_total", &t->rows[i], more, (double)t->rows[i].errors[e]);
        }
}

static void put_refused(prog_line *l, const table *t)
{
    char text[300];
    head(l, "receiver_refused_total", "counter", "Connections of senders that were refused, and files.");
    for (uint32_t i = 0; i < t->refused_count; i++)
        for (int k = 0; k < WAN_REFUSALS; k++) {
            (void)snprintf(text, sizeof text, "dwcp_receiver_refused_total{receiver=\"%s\",reason=\"%s\"} %llu\n",
                           t->refused[i].name, wan_refusal_name((wan_refusal)k),
                           (unsigned long long)t->refused[i].counts[k]);
            prog_line_put_text(l, text);
        }
}

void wan_metrics_put(void *user, prog_line *l)
{
    table t = {0};
    char text[80];
    collect(user, &t);
    each(l, &t, "amst_streams_active", "gauge", "Streams that the receiver has accepted.", active);
    each(l, &t, "amst_streams_wanted", "gauge", "Streams that the mirror wants now.", wanted);
    put_labelled(l, &t);
    put_streams(l, &t, "amst_bytes_sent_total", "counter", "Bytes of regions.", sent);
    each(l, &t, "amst_bytes_received_total", "counter", "Bytes, of all streams.", received);
    put_latency(l, &t);
    put_streams(l, &t, "amst_stream_state", "gauge", "0: idle, 1: active, 2: saturated, 3: closed.", state);
    put_streams(l, &t, "amst_window_bytes", "gauge", "Congestion window.", window);
    put_streams(l, &t, "amst_round_trip_seconds", "gauge", "Round trip, smoothed.", round_trip);
    put_streams(l, &t, "amst_retransmitted_segments", "gauge", "Of this connection.", repeated);
    each(l, &t, "hde_bytes_original_total", "counter", "Bytes of regions before encoding.", original);
    each(l, &t, "hde_bytes_compressed_total", "counter", "Bytes of their records.", compressed);
    each(l, &t, "hde_compression_ratio", "gauge", "The former for each of the latter.", ratio);
    each(l, &t, "hde_delta_hit_rate_percent", "gauge", "Records that are differences.", hit_rate);
    each(l, &t, "hde_level", "gauge", "Of compression, now.", level);
    each(l, &t, "hde_regions_compared_total", "counter", "Regions that were compared by hash.", compared);
    each(l, &t, "migration_rounds_total", "counter", "Rounds, complete and verified.", rounds);
    each(l, &t, "system_component_health", "gauge",
         "2: at least half of the streams, 1: fewer, 0: none, or the destination is left alone.", health);
    each(l, &t, "circuit_breaker_state", "gauge", "0: closed, 1: half-open, 2: open.", breaker);
    each(l, &t, "circuit_breaker_opened_total", "counter", "Times that it opened.", opened);
    each(l, &t, "circuit_breaker_probes_total", "counter", "Probes in half-open.", probes);
    head(l, "system_config_enabled", "gauge", "0: mirrors are plain copies.");
    (void)snprintf(text, sizeof text, "dwcp_system_config_enabled %d\n", t.enabled);
    prog_line_put_text(l, text);
    head(l, "receiver_files_total", "counter", "Files that receivers have stored.");
    (void)snprintf(text, sizeof text, "dwcp_receiver_files_total %llu\n", (unsigned long long)t.files);
    prog_line_put_text(l, text);
    put_refused(l, &t);
    free(t.refused);
    free(t.rows);
}
