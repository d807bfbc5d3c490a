/* Connections that run queries. A job waits for a free one, at most until its deadline, and each
   runs one job at a time. */
#ifndef DXDB_POOL_H
#define DXDB_POOL_H

#include "config.h"
#include "connection.h"

typedef struct dxdb_pool dxdb_pool;
typedef struct dxdb_job dxdb_job;

/* How a job ended, once: with a result (status 200), or a status, its reason in why, and result NULL. */
typedef void dxdb_job_fn(void *user, uint16_t status, const PGresult *result, const char *why);

struct dxdb_job { /* private */
    dxdb_job    *next;
    dxdb_pool   *pool;
    uint32_t     query;
    int          count;
    const char *const *values;
    dxdb_job_fn *done;   /* NULL: it was called */
    void        *user;
    struct dxdb_pooled *on; /* where it runs; NULL: it waits */
    bool         is_over;   /* no longer run or waited for; freed with the end of the timer */
    dx_op        timer_op;
};

typedef struct dxdb_pooled { /* private */
    dxdb_connection connection;
    dxdb_pool *pool;
    dxdb_job  *job;        /* NULL: none */
    uint32_t   generation; /* of the statements that are prepared in it */
    uint8_t    prepared[DXDB_QUERIES_MAX];
    bool       was_open;
    uint32_t   setup;      /* answers to the settings that are due */
} dxdb_pooled;

struct dxdb_pool { /* the first fields may be read */
    uint32_t     open;     /* connections */
    uint32_t     running;  /* jobs */
    uint32_t     waiting;
    uint64_t     executed; /* queries that were sent */

    const dxdb_config *config;
    dx_reactor  *reactor;
    dxdb_pooled *all;      /* config->pool of them */
    dxdb_job    *first;    /* that wait */
    dxdb_job   **last;
    bool         is_paused;
    uint32_t     generation;
};

void dxdb_pool_begin(dxdb_pool *p, dx_reactor *r, const dxdb_config *config, uint64_t seed);
/* Begin no job; what runs goes on. */
void dxdb_pool_pause(dxdb_pool *p);
/* Go on. Statements of an older generation are prepared anew. */
void dxdb_pool_resume(dxdb_pool *p, uint32_t generation);
/* Run a query of the configuration. values are borrowed until done was called, which may be inside.
   NULL in it: NULL. */
void dxdb_pool_run(dxdb_pool *p, uint32_t query, int count, const char *const *values,
                   dxdb_job_fn *done, void *user);
void dxdb_pool_end(dxdb_pool *p);
bool dxdb_pool_is_ended(const dxdb_pool *p);

#endif
