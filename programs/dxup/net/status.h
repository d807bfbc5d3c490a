/* What `dxup serve --status` answers: a page, and the same for programs.

       /             the page, which asks for the next one every other second
       /status.json  counters, and the names with their latest versions
       /metrics      counters for Prometheus
       /healthz      "ok"; 503: the store cannot be read */
#ifndef DXUP_STATUS_H
#define DXUP_STATUS_H

#include "../../versions/store/store.h"
#include "metrics.h"

enum { DXUP_STATUS_NAMES_MAX = 1000 }; /* in status.json; `names_left_out` counts the rest */

/* The body for a path behind its "/", and its fields of HTTP; a status of HTTP. body was begun. */
int dxup_status_answer(versions_store **store, const dxup_metrics *m, const char *path,
                       prog_line *body, const char **fields);

#endif
