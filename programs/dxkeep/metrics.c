/* Metrics of captures. See metrics.h. */
#include "metrics.h"

#include "ship.h"
#include "../common/scrape.h"

#include "../../dx_cas.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

typedef struct numbers {
    uint64_t     captures, failed, capture_ns;
    uint64_t     recoveries, recoveries_failed, recovery_ns;
    uint64_t     grown, store_size, files, lacking;
    uint64_t     version;    /* the latest; 0: none */
    int64_t      time_ns;    /* of it */
    bool         consistent;
    bool         failing;    /* the last capture failed */
    int64_t      waiting_ns; /* changes wait since then; 0: none */
    keep_counted counted;
} numbers;

struct keep_metrics {
    prog_scrape    *scrape;
    const char     *store;
    pthread_mutex_t lock;
    numbers         now;     /* guarded by the lock */
    keep_ship      *ship;    /* the same; NULL: there is no remote */
};

/* >>text --------------------------------------------------------------- */
static void put(prog_line *l, const char *name, const char *kind, const char *help, double value)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s %s\ndiffkeeper_%s %.17g\n",
             name, help, name, kind, name, value);
    prog_line_put_text(l, text);
}

static void put_duration(prog_line *l, const char *name, const char *help, uint64_t total_ns,
                         uint64_t count)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s summary\n"
             "diffkeeper_%s_sum %.9f\ndiffkeeper_%s_count %llu\n", name, help, name, name,
             (double)total_ns / 1e9, name, (unsigned long long)count);
    prog_line_put_text(l, text);
}

static void put_results(prog_line *l, const char *name, const char *help, uint64_t good,
                        uint64_t failed)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s counter\n"
             "diffkeeper_%s{result=\"success\"} %llu\ndiffkeeper_%s{result=\"failure\"} %llu\n", name,
             help, name, name, (unsigned long long)good, name, (unsigned long long)failed);
    prog_line_put_text(l, text);
}

static void put_pauses(prog_line *l, const keep_counted *c)
{
    static const uint16_t limits_ms[KEEP_PAUSES - 1] = KEEP_PAUSE_LIMITS_MS;
    char text[400];
    uint64_t count = 0;
    prog_line_put_text(l, "# HELP dxkeep_pause_seconds How long captures stopped the program.\n"
                          "# TYPE dxkeep_pause_seconds histogram\n");
    for (int i = 0; i < KEEP_PAUSES; i++) {
        char limit[16] = "+Inf";
        if (i < KEEP_PAUSES - 1) snprintf(limit, sizeof limit, "%g", limits_ms[i] / 1e3);
        count += c->pauses[i];
        snprintf(text, sizeof text, "dxkeep_pause_seconds_bucket{le=\"%s\"} %llu\n", limit,
                 (unsigned long long)count);
        prog_line_put_text(l, text);
    }
    snprintf(text, sizeof text, "dxkeep_pause_seconds_sum %.9f\ndxkeep_pause_seconds_count %llu\n",
             (double)c->paused_ns / 1e9, (unsigned long long)count);
    prog_line_put_text(l, text);
}

static void put_unreadable(prog_line *l, uint64_t count)
{
    char text[300];
    snprintf(text, sizeof text, "# HELP dxkeep_unreadable_entries Entries that the last version lacks: "
             "without read permission, or with a path that is too long or too deep.\n# TYPE dxkeep_unreadable_entries gauge\n"
             "dxkeep_unreadable_entries %llu\n", (unsigned long long)count);
    prog_line_put_text(l, text);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void put_info(prog_line *l)
{
    char text[200];
    const uint32_t v = DX_CAS_VERSION;
    put(l, "up", "gauge", "1 while dxkeep runs.", 1);
    snprintf(text, sizeof text, "# HELP diffkeeper_agent_info The program.\n"
             "# TYPE diffkeeper_agent_info gauge\n"
             "diffkeeper_agent_info{agent=\"dxkeep\",version=\"%u.%u.%u\"} 1\n", (unsigned)(v >> 16),
             (unsigned)(v >> 8 & 0xff), (unsigned)(v & 0xff));
    prog_line_put_text(l, text);
}

static void put_all(prog_line *l, const numbers *n)
{
    const keep_counted *c = &n->counted;
    const uint64_t saved = c->bytes > n->grown ? c->bytes - n->grown : 0;
    put_info(l);
    put_results(l, "capture_total", "Captures.", n->captures - n->failed, n->failed);
    put_duration(l, "capture_duration_seconds", "Duration of captures.", n->capture_ns, n->captures);
    put_results(l, "recovery_total", "Restores of the directory.",
                n->recoveries - n->recoveries_failed, n->recoveries_failed);
    put_duration(l, "recovery_duration_seconds", "Duration of restores.", n->recovery_ns,
                 n->recoveries);
    put(l, "storage_saved_bytes", "gauge",
        "Bytes of files that captures read, less those by which the store grew.", (double)saved);
    put(l, "storage_saved_ratio", "gauge", "The same as a fraction of the bytes read.",
        ratio(saved, c->bytes));
    put(l, "store_size_bytes", "gauge", "Size of the store.", (double)n->store_size);
    put(l, "files_tracked", "gauge", "Files that the last full scan found.", (double)n->files);
    put(l, "chunk_total", "counter", "Chunks that files were cut into.", (double)c->chunks);
    put(l, "chunk_dedup_ratio", "gauge", "Fraction of them that the store had.",
        ratio(c->known_chunks, c->chunks));
    put_duration(l, "chunk_duration_seconds", "Duration of reading, cutting and storing.",
                 c->taken_ns, c->reads);
    put(l, "large_files_total", "counter", "Files read that are larger than a chunk.",
        (double)c->large_files);
    put_pauses(l, c);
    put_unreadable(l, n->lacking);
    put(l, "deltas_total", "counter", "Objects stored as deltas.", (double)c->deltas);
}

static void put_own(prog_line *l, const char *name, const char *kind, const char *help, double value)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP dxkeep_%s %s\n# TYPE dxkeep_%s %s\ndxkeep_%s %.17g\n", name, help, name,
             kind, name, value);
    prog_line_put_text(l, text);
}

static void put_gauge(prog_line *l, const char *name, const char *kind, const char *help, double value)
{
    char full[64];
    snprintf(full, sizeof full, "remote_%s", name);
    put_own(l, full, kind, help, value);
}

/* What an alert asks for: is there a recent version, and is it good? */
static void put_last(prog_line *l, const numbers *n, const char *store)
{
    struct statvfs disk;
    const int64_t now_ns = prog_time_ns();
    const double lag = n->waiting_ns && now_ns > n->waiting_ns ? (double)(now_ns - n->waiting_ns) / 1e9 : 0;
    put_own(l, "last_version", "gauge", "The latest version; 0: none.", (double)n->version);
    put_own(l, "last_version_timestamp_seconds", "gauge", "Its time, since 1970.", (double)n->time_ns / 1e9);
    put_own(l, "last_version_consistent", "gauge", "1: it is consistent. 0: it is torn.", n->consistent);
    put_own(l, "lag_seconds", "gauge", "How long changes have been waiting that no version has.", lag);
    put_own(l, "last_capture_failed", "gauge", "1: the last capture failed, and is tried again.", n->failing);
    if (statvfs(store, &disk) == 0)
        put_own(l, "store_free_bytes", "gauge", "Free space of the file system of the store, for ordinary users.",
                (double)disk.f_bavail * (double)disk.f_frsize);
}

static void put_ship(prog_line *l, keep_ship *ship)
{
    keep_ship_record r;
    keep_ship_now(ship, &r);
    const int64_t now_ns = prog_time_ns();
    const double age = r.version && now_ns > r.time_ns ? (double)(now_ns - r.time_ns) / 1e9 : 0;
    const double lag = r.since_ns && now_ns > r.since_ns ? (double)(now_ns - r.since_ns) / 1e9 : 0;
    put_gauge(l, "up", "gauge", "1 while the remote takes versions.", r.state == KEEP_SHIP_READY);
    put_gauge(l, "version", "gauge", "The latest version that the remote has.", (double)r.version);
    put_gauge(l, "behind_versions", "gauge", "Versions that the remote lacks.", (double)r.behind);
    put_gauge(l, "behind_bytes", "gauge", "Growth of the store since the version that the remote has.",
              (double)r.bytes);
    put_gauge(l, "lag_seconds", "gauge", "Age of the oldest version that the remote lacks.", lag);
    put_gauge(l, "age_seconds", "gauge", "Age of the latest version that the remote has.", age);
    put_gauge(l, "skipped_versions_total", "counter", "Versions left out because too many waited.",
              (double)r.skipped);
    put_gauge(l, "sent_bytes_total", "counter", "Bytes sent to the remote.", (double)r.sent);
}

/* >>server ------------------------------------------------------------- */
/* The function of prog_scrape_open(). */
static void put_now(void *user, prog_line *l)
{
    keep_metrics *m = user;
    pthread_mutex_lock(&m->lock);
    const numbers now = m->now;
    keep_ship *ship = m->ship;
    pthread_mutex_unlock(&m->lock);
    put_all(l, &now);
    put_last(l, &now, m->store);
    if (ship) put_ship(l, ship);
}

int keep_metrics_open(keep_metrics **out, const keep_options *o)
{
    keep_metrics *m = prog_alloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->store = o->store;
    pthread_mutex_init(&m->lock, NULL);
    const int status = prog_scrape_open(&m->scrape, "--metrics-addr", o->metrics, put_now, m);
    if (status) keep_metrics_close(m);
    else *out = m;
    return status;
}

void keep_metrics_close(keep_metrics *m)
{
    if (!m) return;
    prog_scrape_close(m->scrape);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* >>counts ------------------------------------------------------------- */
void keep_metrics_ships(keep_metrics *m, keep_ship *ship)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->ship = ship;
    pthread_mutex_unlock(&m->lock);
}

void keep_metrics_captured(keep_metrics *m, const keep_capture *c, int64_t began_ns, bool failed)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->now.captures++;
    m->now.failed += failed;
    m->now.capture_ns += (uint64_t)(prog_now_ns() - began_ns);
    m->now.counted = c->counted;
    if (!failed) m->now.grown += c->grown;
    if (c->store) m->now.store_size = versions_store_size(c->store);
    m->now.files = c->files;
    m->now.lacking = keep_capture_lacking(c);
    m->now.failing = failed;
    if (!failed && c->has_last) {
        m->now.version = c->last.version;
        m->now.time_ns = c->last.time_ns;
        m->now.consistent = c->last.consistent;
    }
    pthread_mutex_unlock(&m->lock);
}

void keep_metrics_wait(keep_metrics *m, int64_t since_ns)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->now.waiting_ns = since_ns;
    pthread_mutex_unlock(&m->lock);
}

void keep_metrics_restored(keep_metrics *m, int64_t began_ns, bool failed)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->now.recoveries++;
    m->now.recoveries_failed += failed;
    m->now.recovery_ns += (uint64_t)(prog_now_ns() - began_ns);
    pthread_mutex_unlock(&m->lock);
}
