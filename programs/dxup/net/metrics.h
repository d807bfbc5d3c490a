/* What a server has done, counted by all of its threads: for Prometheus and its page. */
#ifndef DXUP_METRICS_H
#define DXUP_METRICS_H

#include "../../common/line.h"

/* Changed by dxup_count() only, as other threads read them meanwhile. */
typedef struct dxup_metrics {
    uint64_t pulls[3];        /* answered, by their outcome: DXUP_UNCHANGED, DXUP_PATCHED, DXUP_FULL */
    uint64_t refused;         /* pulls that were answered with an error */
    uint64_t sent;            /* bytes of patches and content, to dxup pull and by HTTP */
    uint64_t spared;          /* bytes of versions that were not sent, as the client had them */
    uint64_t http[6];         /* answers by the first digit of their status */
    uint64_t damaged;         /* answers that ended early, as the store could not be read */
    uint64_t log_dropped;     /* lines */
    uint64_t connections;     /* that there are now, of dxup pull */
    uint64_t connected;       /* since the start */
    uint64_t transfers;       /* under way now, of dxup pull */
} dxup_metrics;

void     dxup_count(uint64_t *counter, uint64_t more);
/* Of a number that is there now: one less. */
void     dxup_count_down(uint64_t *counter);
uint64_t dxup_counted(const uint64_t *counter);
/* All of them in Prometheus's text format, version 0.0.4. m may be changed meanwhile. */
void     dxup_metrics_put(prog_line *l, const dxup_metrics *m);

#endif
