/* The HTTP side of the server: see http.c. */
#ifndef DXUP_HTTP_H
#define DXUP_HTTP_H

#include "../../common/common.h"
#include "log.h"
#include "metrics.h"
#include "patches.h"

typedef struct dxup_http dxup_http;

typedef struct dxup_http_desc {
    const char   *store;   /* the folder */
    const char   *address; /* HOST:PORT */
    const char   *backend; /* of the event loop; NULL: automatic */
    dxup_patches *patches;
    dxup_metrics *metrics;
    dxup_logger  *log;         /* or NULL */
    size_t        network_max; /* connections of one network, see guests.h */
    bool          status;  /* answer with the status of the server (status.h), not with versions */
} dxup_http_desc;

/* Serve on a thread of its own. What desc points to stays until the end. *h is to be stopped
   also after an error. */
int dxup_http_start(dxup_http **h, const dxup_http_desc *desc);
/* HOST:PORT that it listens on. */
const char *dxup_http_address(const dxup_http *h);
/* One more patch is known; from any thread. h may be NULL. */
void dxup_http_ready(dxup_http *h);
/* Another store may be at the path; from any thread. h may be NULL. */
void dxup_http_look_again(dxup_http *h);
/* Accept no more, and finish the answers that are begun, in at most DXUP_DRAIN_S; from any thread. h
   may be NULL. */
void dxup_http_end(dxup_http *h);
/* The same; then waits for that, and frees h, which may be NULL. */
int dxup_http_stop(dxup_http *h);

#endif
