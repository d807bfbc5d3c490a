/* Counters of the workers, as Prometheus reads them. All fields are numbers that may be added. */
#ifndef DXDB_METRICS_H
#define DXDB_METRICS_H

#include "text.h"

typedef struct dxdb_metrics {
    uint64_t hits;          /* requests that the cache has answered, */
    uint64_t loads;         /* queries that were begun for the others, */
    uint64_t joined;        /* and requests that waited for one of them */
    uint64_t failed;        /* queries that failed */
    uint64_t outdated;      /* results that were not kept, as a table changed meanwhile */
    uint64_t invalidations; /* of tables */
    uint64_t resets;        /* of everything */
    uint64_t hbtp[6];       /* answers by the class of their status: 2xx is hbtp[2] */
    uint64_t http[6];
    uint64_t hbtp_links;    /* open now */
    uint64_t http_links;
    uint64_t entries;       /* in the cache now, */
    uint64_t bytes;         /* of them */
    uint64_t evicted;
    uint64_t notifications;
    uint64_t queries;       /* that were sent to the database */
    uint64_t open;          /* connections that run queries, now */
    uint64_t running;       /* queries, now */
    uint64_t waiting;
    uint64_t up;            /* workers that hear of every change */
} dxdb_metrics;

/* Count an answer in hbtp or http. */
void dxdb_metrics_count(uint64_t classes[6], uint16_t status);
/* Those of worker `index` are these from here on, for the others to read. A worker publishes its own
   several times a second, and before it puts all. Any thread. */
void dxdb_metrics_publish(uint32_t index, const dxdb_metrics *m);
/* The sum of all that were published. */
void dxdb_metrics_sum(dxdb_metrics *sum);
enum { DXDB_WORKERS_MAX = 256 };
void dxdb_metrics_put_all(dxdb_text *t, const dxdb_metrics *m);

#endif
