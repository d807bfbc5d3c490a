/* Connections that run queries and writes. What a job changes of its session (SET, temporary tables,
   locks, LISTEN ...) is gone before the next one. A job waits for a free connection, at most until its
   deadline. Each connection runs one job at a time. */
#ifndef DXDB_POOL_H
#define DXDB_POOL_H

#include "config.h"
#include "connection.h"

typedef struct dxdb_pool dxdb_pool;
typedef struct dxdb_job dxdb_job;

typedef struct dxdb_outcome { /* of a job; valid until the callback returns */
    uint16_t        status;    /* DXDB_OK; otherwise why has the reason */
    const char     *why;
    const PGresult *result;    /* of a query */
    uint64_t        position;  /* of the log. Query: the end before it began; write: after it */
    const uint64_t *counts;    /* write: rows that each statement has changed or returned */
    uint32_t        count;     /* of statements */
    uint64_t        run_ns;    /* on its connection; 0: it was not begun */
} dxdb_outcome;

/* Called once with the outcome of a job. */
typedef void dxdb_job_fn(void *user, const dxdb_outcome *outcome);

struct dxdb_job { /* private */
    dxdb_job    *next;
    dxdb_pool   *pool;
    bool         is_write;
    uint32_t     query;     /* or the index of a write */
    int          phase;     /* see pool.c */
    uint32_t     executed;  /* statements of a write that were answered */
    uint64_t     position;
    uint64_t     begun_ns;  /* on its connection; 0: not yet */
    uint64_t     counts[DXDB_STATEMENTS_MAX];
    uint8_t      expects[2 * DXDB_STATEMENTS_MAX + 8]; /* of a write: kinds of answers, in order */
    uint32_t     expected;
    uint32_t     answers;
    bool         asks_commit; /* its COMMIT was given to libpq */
    uint16_t     failure;   /* status of a COMMIT that failed, reported when the sync is answered; 0: none */
    char         failed[DXDB_TEXT_SIZE]; /* and why */
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
    uint8_t    prepared_writes[DXDB_WRITES_MAX];
    bool       prepared_position;
    bool       prepared_after;
    bool       knows_functions; /* whether some function of the database may change the session */
    bool       has_functions;
    bool       must_reset;     /* the job may have changed settings */
    bool       prepared_settings;
    bool       prepared_controls[5]; /* see pool.c */
    bool       must_discard;   /* the job may have changed what is not reset cheaply */
    bool       was_open;
    uint32_t   setup;      /* outstanding answers to the settings */
} dxdb_pooled;

struct dxdb_pool { /* the first fields may be read */
    uint32_t     open;     /* connections */
    uint32_t     running;  /* jobs */
    uint32_t     waiting;
    uint64_t     executed; /* queries sent */
    uint64_t     written;  /* transactions committed */

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
/* The same for a write. Only an outcome whose reason says so may have been committed. */
void dxdb_pool_write(dxdb_pool *p, uint32_t write, int count, const char *const *values,
                     dxdb_job_fn *done, void *user);
void dxdb_pool_end(dxdb_pool *p);
bool dxdb_pool_is_ended(const dxdb_pool *p);

#endif
