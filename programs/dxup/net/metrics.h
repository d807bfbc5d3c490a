/* Counters of a server, shared by its threads: for Prometheus and the status page. */
#ifndef DXUP_METRICS_H
#define DXUP_METRICS_H

#include "../../common/line.h"

/* Change them only with dxup_count(), because other threads read them. */
typedef struct dxup_metrics {
    uint64_t pulls[3];        /* by outcome: DXUP_UNCHANGED, DXUP_PATCHED, DXUP_FULL */
    uint64_t refused;         /* pulls answered with an error */
    uint64_t sent;            /* bytes of patches and content, over HBTP and HTTP */
    uint64_t spared;          /* bytes of versions not sent, because the client had them */
    uint64_t http[6];         /* answers by the first digit of the status */
    uint64_t damaged;         /* answers truncated because the store could not be read */
    uint64_t log_dropped;     /* lines */
    uint64_t connections;     /* of dxup pull, now */
    uint64_t connected;       /* since the start */
    uint64_t transfers;       /* of dxup pull, now */
} dxup_metrics;

void     dxup_count(uint64_t *counter, uint64_t more);
/* Decrement a gauge. */
void     dxup_count_down(uint64_t *counter);
/* Copy all counters as they are at one moment. */
dxup_metrics dxup_metrics_now(const dxup_metrics *m);
/* Append all of them in Prometheus's text format, version 0.0.4. m may change meanwhile. */
void     dxup_metrics_put(prog_line *l, const dxup_metrics *m);

#endif
