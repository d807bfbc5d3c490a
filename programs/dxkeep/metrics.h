/* Metrics of `run` and `daemon`, in the text format of Prometheus, served over HTTP by a thread. */
#ifndef DXKEEP_METRICS_H
#define DXKEEP_METRICS_H

#include "keep.h"
#include "ship.h"

typedef struct keep_metrics keep_metrics;

/* Listen on "HOST:PORT" (HOST a name or an address; missing: all addresses), and serve until it is closed.
   PROG_USAGE, with a message: malformed. PROG_SYSTEM: cannot listen. */
int  keep_metrics_open(keep_metrics **out, const keep_options *o);
void keep_metrics_close(keep_metrics *m); /* m may be NULL, as below */
/* Also serve the state of the remote. ship NULL: there is none. */
void keep_metrics_ships(keep_metrics *m, keep_ship *ship);
/* A capture that began at began_ns (prog_now_ns()) has ended. */
void keep_metrics_captured(keep_metrics *m, const keep_capture *c, int64_t began_ns, bool failed);
/* Changes that no version has wait since then (prog_time_ns()); 0: none. */
void keep_metrics_wait(keep_metrics *m, int64_t since_ns);
/* The directory was restored. */
void keep_metrics_restored(keep_metrics *m, int64_t began_ns, bool failed);

#endif
