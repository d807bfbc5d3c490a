/* The results of queries: out of the cache, or from the database, once for all who ask meanwhile.

   A result is kept only if every table that its query reads tells of its changes (catalog.h) and
   none did so since the query began. Whoever asks after a change was told is never given a result
   that was begun before it. */
#ifndef DXDB_RESULTS_H
#define DXDB_RESULTS_H

#include "catalog.h"
#include "metrics.h"
#include "pool.h"

typedef struct dxdb_results dxdb_results;

typedef struct dxdb_result { /* valid until the call returns that hands it over */
    uint16_t       status; /* DXDB_OK; else why says what is wrong */
    const char    *why;
    const uint8_t *record; /* with header */
    size_t         record_size;
    const char    *json;   /* an array of objects */
    size_t         json_size;
    const dx_cache_view *view; /* for its ETag; NULL: it is not kept */
} dxdb_result;

typedef struct dxdb_request dxdb_request;
struct dxdb_request { /* the caller's, not to be moved until answered or forgotten */
    void (*answered)(dxdb_request *request, const dxdb_result *result); /* once */
    void *user;

    struct dxdb_flight *flight; /* private */
    dxdb_request *next;
    dxdb_request *prev;
};

struct dxdb_results {
    dxdb_catalog catalog;
    dxdb_pool    pool;
    dx_cache     cache;
    dx_queries   queries;
    dxdb_metrics metrics;
    bool         is_quiet;  /* another worker says the same */
    dx_reactor  *reactor;
    const dxdb_config *config;
    struct dxdb_flight *flights;
    void        *memory;    /* of the cache */
    dx_queries_call call;   /* of dxdb_results_get() */
    uint32_t     in_flight; /* of them */
};

/* PROG_OK, or a message. */
int  dxdb_results_begin(dxdb_results *r, dx_reactor *reactor, const dxdb_config *config,
                        bool is_quiet);
/* Is it in the cache? True: *result, until dxdb_results_release(), which must follow before anything
   else is asked. values: config->queries[query].parameter_count of them; NULL in it: NULL. */
bool dxdb_results_get(dxdb_results *r, uint32_t query, const char *const *values,
                      dxdb_result *result);
void dxdb_results_release(dxdb_results *r);
/* It is not: run the query, or wait for somebody else's. request->answered may be called inside.
   values are copied. */
void dxdb_results_load(dxdb_results *r, uint32_t query, const char *const *values,
                       dxdb_request *request);
/* Nobody waits for the answer any more. Also where it has been answered. */
void dxdb_results_forget(dxdb_request *request);
/* What a query is, as JSON; the status is 503 before the database was reached, 500 for a query that
   it refuses. *t is the reason then. */
uint16_t dxdb_results_describe(const dxdb_results *r, uint32_t query, dxdb_text *t);
/* Can queries be answered at the moment? */
bool dxdb_results_healthy(const dxdb_results *r);
/* Its counters and states, filled into metrics. */
const dxdb_metrics *dxdb_results_measure(dxdb_results *r);
void dxdb_results_end(dxdb_results *r);
bool dxdb_results_is_ended(const dxdb_results *r);

#endif
