/* Counters of the workers, in the form of Prometheus. All fields are integers that can be summed. */
#ifndef DXDB_METRICS_H
#define DXDB_METRICS_H

#include "config.h"
#include "text.h"

typedef struct dxdb_query_metrics {
    uint64_t requests; /* of clients, and to read a followed result */
    uint64_t hits;     /* of these: answered from the cache, */
    uint64_t misses;   /* for which the database was asked, or a query that ran was joined, */
    uint64_t errors;   /* and not answered with a result */
    uint64_t runs;     /* of the query in the database, */
    uint64_t run_us;   /* and their time in all, without the wait for a connection */
} dxdb_query_metrics;

typedef struct dxdb_metrics {
    uint64_t hits;          /* requests answered from the cache, */
    uint64_t loads;         /* queries started for the others, */
    uint64_t joined;        /* requests that joined a running query */
    uint64_t failed;        /* failed queries */
    uint64_t outdated;      /* results not cached because a table changed meanwhile */
    uint64_t invalidations; /* of tables */
    uint64_t resets;        /* of the whole cache */
    uint64_t hbtp[6];       /* answers by class of status: 2xx is hbtp[2] */
    uint64_t http[6];
    uint64_t hbtp_links;    /* open now */
    uint64_t http_links;
    uint64_t websockets;    /* of both, those that are a WebSocket */
    uint64_t entries;       /* in the cache now, */
    uint64_t bytes;         /* and their size */
    uint64_t evicted;
    uint64_t notifications;
    uint64_t queries;       /* sent to the database */
    uint64_t open;          /* connections that run queries, now */
    uint64_t running;       /* queries, now */
    uint64_t waiting;
    uint64_t writes;        /* transactions that were committed */
    uint64_t followed;      /* results that are kept up to date, now */
    uint64_t followed_bytes;
    uint64_t subscriptions; /* to them, now */
    uint64_t refreshed;     /* queries for them that found a change */
    uint64_t patches;       /* made; a change without one is sent as a whole */
    uint64_t sent_patches;  /* frames with one, to all subscribers */
    uint64_t sent_wholes;
    uint64_t ended;         /* followed results that ended, with a reason */
    uint64_t lagging;       /* clients that were closed because they did not read */
    uint64_t kept_bytes;    /* of answers of HBTP that wait to be read, now; */
    uint64_t kept_refused;  /* answers that were refused because these were too many */
    uint64_t stuck_tls;     /* connections that were cut off because output did not move: of TLS, */
    uint64_t stuck_ws;      /* and of WebSocket */
    uint64_t replicates;    /* workers whose changes come by replication; */
    uint64_t triggered;     /* by triggers */
    uint64_t lag;           /* bytes of the log that replication has not delivered */
    uint64_t up;            /* workers that receive all notifications of changes */
    dxdb_query_metrics query[DXDB_QUERIES_MAX]; /* of the configuration, in its order */
} dxdb_metrics;

/* Count an answer in hbtp or http. */
void dxdb_metrics_count(uint64_t classes[6], uint16_t status);
/* Publish the counters of worker `index` for the other workers. A worker does so several times a
   second, and before it prints the sum. Thread-safe. */
void dxdb_metrics_publish(uint32_t index, const dxdb_metrics *m);
/* Add up all published counters. */
void dxdb_metrics_sum(dxdb_metrics *sum);
enum { DXDB_WORKERS_MAX = 256 };
/* Forget what was published. No worker runs. */
void dxdb_metrics_forget(void);
void dxdb_metrics_put_all(dxdb_text *t, const dxdb_metrics *m);
/* Append the metrics of each query, with its name as label. */
void dxdb_metrics_put_queries(dxdb_text *t, const dxdb_metrics *m, const dxdb_config *config);

#endif
