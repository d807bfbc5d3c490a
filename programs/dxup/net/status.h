/* `dxup serve --status`: a page, and the same data for programs.

       /             the page, which fetches status.json every two seconds
       /status.json  counters, and the names with their latest versions
       /metrics      counters for Prometheus
       /healthz      "ok"; 503: the store cannot be read */
#ifndef DXUP_STATUS_H
#define DXUP_STATUS_H

#include "../../versions/store/store.h"
#include "metrics.h"

enum { DXUP_STATUS_NAMES_MAX = 1000 }; /* in status.json; `names_left_out` counts the rest */

/* Make the body for a path, given without its leading "/", and its HTTP fields. Returns an HTTP
   status. The caller has begun body. */
int dxup_status_answer(versions_store **store, const dxup_metrics *m, const char *path,
                       prog_line *body, const char **fields);

#endif
