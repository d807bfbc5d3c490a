/* The metrics of a daemon, by the names of DWCP. */
#ifndef WAN_METRICS_H
#define WAN_METRICS_H

#include "../../common/line.h"
#include "jobs.h"

/* Write all metrics. user: the wan_jobs. Any thread may call it. */
void wan_metrics_put(void *user, prog_line *l);
/* 2: the mirror has at least half of its streams, or rests; 1: fewer; 0: none, or its destination is
   left alone. The caller holds both locks. */
int  wan_job_health(const wan_job *job);

#endif
