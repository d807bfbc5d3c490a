/* The HTTP side of the server: see http.c. */
#ifndef DXUP_HTTP_H
#define DXUP_HTTP_H

#include "../../common/common.h"
#include "log.h"
#include "metrics.h"
#include "patches.h"

typedef struct dxup_http dxup_http;

typedef struct dxup_http_desc {
    const char   *store;   /* its folder */
    const char   *address; /* HOST:PORT */
    const char   *backend; /* of the event loop; NULL: automatic */
    dxup_patches *patches;
    dxup_metrics *metrics;
    dxup_logger  *log;         /* or NULL */
    const char   *allow_origin; /* its pages may read; NULL: none, see dxup_is_origin() */
    size_t        network_max; /* connections per network, see guests.h */
    bool          status;  /* serve the status page (status.h) instead of versions */
} dxup_http_desc;

/* Serve on a thread. Everything that desc points to must stay valid until the end. Call
   dxup_http_stop() also after an error. */
int dxup_http_start(dxup_http **h, const dxup_http_desc *desc);
/* HOST:PORT of the listener. */
const char *dxup_http_address(const dxup_http *h);
/* A patch has become ready. Any thread; h may be NULL. */
void dxup_http_ready(dxup_http *h);
/* Another store may be at the path. Any thread; h may be NULL. */
void dxup_http_refresh(dxup_http *h);
/* Change these two of its options. Any thread; h may be NULL. */
void dxup_http_change(dxup_http *h, size_t network_max, const char *allow_origin);
/* Accept no more connections, and finish open answers within DXUP_DRAIN_S. Any thread;
   h may be NULL. */
void dxup_http_end(dxup_http *h);
/* The same, then wait for the end and free h, which may be NULL. */
int dxup_http_stop(dxup_http *h);

#endif
