/* Counters of a worker, as Prometheus reads them. */
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
} dxdb_metrics;

/* Count an answer in hbtp or http. */
void dxdb_metrics_count(uint64_t classes[6], uint16_t status);
void dxdb_metrics_put(dxdb_text *t, const char *name, const char *kind, const char *help,
                      uint64_t value);
void dxdb_metrics_put_all(dxdb_text *t, const dxdb_metrics *m);

#endif
