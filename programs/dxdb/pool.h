/* Connections that run queries. A job waits for a free connection, at most until its deadline. Each
   connection runs one job at a time. */
#ifndef DXDB_POOL_H
#define DXDB_POOL_H

#include "config.h"
#include "connection.h"

typedef struct dxdb_pool dxdb_pool;
typedef struct dxdb_job dxdb_job;

/* Called once with the outcome of a job: status 200 and a result; or another status, its reason in
   why, and result NULL. */
typedef void dxdb_job_fn(void *user, uint16_t status, const PGresult *result, const char *why);

struct dxdb_job { /* private */
    dxdb_job    *next;
    dxdb_pool   *pool;
    uint32_t     query;
    int          count;
    const char *const *values;
    dxdb_job_fn *done;   /* NULL: already called */
    void        *user;
    struct dxdb_pooled *on; /* where it runs; NULL: it waits */
    bool         is_over;   /* answered; freed when its timer has ended */
    dx_op        timer_op;
};

typedef struct dxdb_pooled { /* private */
    dxdb_connection connection;
    dxdb_pool *pool;
    dxdb_job  *job;        /* NULL: none */
    uint32_t   generation; /* of its prepared statements */
    uint8_t    prepared[DXDB_QUERIES_MAX];
    bool       was_open;
    uint32_t   setup;      /* outstanding answers to the settings */
} dxdb_pooled;

struct dxdb_pool { /* the first fields may be read */
    uint32_t     open;     /* connections */
    uint32_t     running;  /* jobs */
    uint32_t     waiting;
    uint64_t     executed; /* queries sent */

    const dxdb_config *config;
    dx_reactor  *reactor;
    dxdb_pooled *all;      /* config->pool of them */
    dxdb_job    *first;    /* waiting jobs */
    dxdb_job   **last;
    bool         is_paused;
    uint32_t     generation;
};

void dxdb_pool_begin(dxdb_pool *p, dx_reactor *r, const dxdb_config *config, uint64_t seed);
/* Start no more jobs; running ones continue. */
void dxdb_pool_pause(dxdb_pool *p);
/* Start jobs again. Statements of an older generation are prepared again. */
void dxdb_pool_resume(dxdb_pool *p, uint32_t generation);
/* Run a query of the configuration. values are borrowed until done was called, which may happen
   inside this call. A NULL in values is an SQL NULL. */
void dxdb_pool_run(dxdb_pool *p, uint32_t query, int count, const char *const *values,
                   dxdb_job_fn *done, void *user);
void dxdb_pool_end(dxdb_pool *p);
bool dxdb_pool_is_ended(const dxdb_pool *p);

#endif
