/* The results of queries: from the cache, or from the database with one query for all concurrent
   requests. A result is cached only if every table that its query reads notifies of changes
   (catalog.h) and none has changed since the query began. A request that comes after a notification
   never gets a result of a query that began before it. */
#ifndef DXDB_RESULTS_H
#define DXDB_RESULTS_H

#include "catalog.h"
#include "metrics.h"
#include "pool.h"

typedef struct dxdb_results dxdb_results;

typedef struct dxdb_result { /* valid until the callback returns */
    uint16_t       status; /* DXDB_OK; otherwise why has the reason */
    const char    *why;
    const uint8_t *record; /* with header */
    size_t         record_size;
    const char    *json;   /* an array of objects */
    size_t         json_size;
    const dx_cache_view *view; /* for its ETag; NULL: not cached */
    uint64_t       position; /* of the log, before the query began */
} dxdb_result;

typedef struct dxdb_request dxdb_request;
struct dxdb_request { /* owned by the caller; do not move it until answered or forgotten */
    void (*answered)(dxdb_request *request, const dxdb_result *result); /* once */
    void *user;

    struct dxdb_flight *flight; /* private */
    dxdb_request *next;
    dxdb_request *prev;
};

/* A write under way. Owned by the caller; not to be moved until done or forgotten. */
typedef struct dxdb_writing dxdb_writing;
struct dxdb_writing {
    void (*written)(dxdb_writing *w, const dxdb_outcome *outcome); /* once */
    struct dxdb_transaction *transaction; /* private */
};

/* Called after the results know; the same calls as those of the catalog. */
typedef struct dxdb_follower {
    void (*up)(void *user);
    void (*down)(void *user, const char *reason);
    void (*changed)(void *user, Oid root, const dxdb_change *change);
    void *user;
} dxdb_follower;

struct dxdb_results {
    dxdb_catalog catalog;
    dxdb_pool    pool;
    dx_cache     cache;
    dx_queries   queries;
    dxdb_metrics metrics;
    bool         is_quiet;  /* print no messages: another worker prints them */
    dx_reactor  *reactor;
    const dxdb_config *config;
    struct dxdb_flight *flights;
    dxdb_follower follower; /* set it after dxdb_results_begin() */
    void        *memory;    /* of the cache */
    dx_queries_call call;   /* of dxdb_results_get() */
    uint32_t     in_flight; /* number of flights */
};

/* Returns PROG_OK, or prints a message. */
int  dxdb_results_begin(dxdb_results *r, dx_reactor *reactor, const dxdb_config *config,
                        uint32_t worker);
/* Look it up in the cache. True: *result is valid until dxdb_results_release(), which must be
   called before any other request. values: config->queries[query].parameter_count of them; a NULL
   in it is an SQL NULL. */
bool dxdb_results_get(dxdb_results *r, uint32_t query, const char *const *values,
                      dxdb_result *result);
void dxdb_results_release(dxdb_results *r);
/* After a miss: run the query, or join one that runs if `joins`. request->answered may be called
   inside. values are copied. */
void dxdb_results_load(dxdb_results *r, uint32_t query, const char *const *values, bool joins,
                       dxdb_request *request);
/* Run a write. w->written may be called inside. values are copied. */
void dxdb_results_write(dxdb_results *r, uint32_t write, const char *const *values,
                        dxdb_writing *w);
/* Forget a write: its outcome is not delivered. Allowed also after it. */
void dxdb_results_forget_write(dxdb_writing *w);
/* Memory for copies of values, and the copies. */
size_t dxdb_values_size(const char *const *values, uint32_t count);
void dxdb_values_copy(const char *const *values, uint32_t count, const char **copies, char *texts);
/* Forget a request: its answer is not delivered. Allowed also after the answer. */
void dxdb_results_forget(dxdb_request *request);
/* Append the description of a query as JSON. The status is 503 before the database was reached, 500
   for a query that the database refuses; then *t is the reason. */
uint16_t dxdb_results_describe(const dxdb_results *r, uint32_t query, dxdb_text *t);
void dxdb_results_describe_write(const dxdb_results *r, uint32_t write, dxdb_text *t);
/* Can queries be answered now? */
bool dxdb_results_healthy(const dxdb_results *r);
/* Update and return the metrics of this worker. */
const dxdb_metrics *dxdb_results_measure(dxdb_results *r);
void dxdb_results_end(dxdb_results *r);
bool dxdb_results_is_ended(const dxdb_results *r);
/* After the event loop was closed. */
void dxdb_results_free(dxdb_results *r);

#endif
