/* Why workers cannot answer. See health.h. */
#include "health.h"

#include "metrics.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char     reasons[DXDB_WORKERS_MAX][DXDB_HEALTH_SIZE]; /* for clients; empty: the worker can answer */
static char     said[DXDB_WORKERS_MAX][DXDB_HEALTH_SIZE];    /* the same in full */
static uint32_t count;
static bool     was_said; /* why some worker cannot answer */

void dxdb_health_begin(uint32_t workers)
{
    assert(workers <= DXDB_WORKERS_MAX);
    (void)pthread_mutex_lock(&lock);
    count = workers;
    was_said = false;
    for (uint32_t i = 0; i < count; i++) {
        said[i][0] = 0;
        snprintf(reasons[i], sizeof reasons[i], "the database has not answered yet");
    }
    (void)pthread_mutex_unlock(&lock);
}

/* The first reason of any worker, or NULL. That one has not answered yet is the least of them. */
static const char *first_reason(void)
{
    const char *reason = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (said[i][0]) return reasons[i];
        if (!reason && reasons[i][0]) reason = reasons[i];
    }
    return reason;
}

static bool is_known(const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(said[i], text)) return true;
    return false;
}

void dxdb_health_set(uint32_t worker, const char *what, const char *why, const char *reason)
{
    char shown[DXDB_HEALTH_SIZE] = "", text[DXDB_HEALTH_SIZE] = "";
    assert(worker < count);
    if (what) snprintf(shown, sizeof shown, "%s: %s", what, reason);
    if (what) snprintf(text, sizeof text, "%s: %s", what, why);
    (void)pthread_mutex_lock(&lock);
    if (what && !is_known(text)) {
        prog_warn("%s, so nothing is answered; retrying: %s", what, why);
        was_said = true;
    }
    memcpy(reasons[worker], shown, sizeof shown);
    memcpy(said[worker], text, sizeof text);
    if (was_said && !first_reason()) {
        prog_warn("the database answers, and results are cached again");
        was_said = false;
    }
    (void)pthread_mutex_unlock(&lock);
}

bool dxdb_health_get(char out[DXDB_HEALTH_SIZE])
{
    (void)pthread_mutex_lock(&lock);
    const char *reason = first_reason();
    snprintf(out, DXDB_HEALTH_SIZE, "%.*s", DXDB_HEALTH_SIZE - 1, reason ? reason : "");
    (void)pthread_mutex_unlock(&lock);
    return !reason;
}

uint32_t dxdb_health_workers(void) { return count; }
