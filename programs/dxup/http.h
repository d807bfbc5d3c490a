/* The HTTP side of the server: see http.c. */
#ifndef DXUP_HTTP_H
#define DXUP_HTTP_H

#include "dxup.h"
#include "patches.h"

typedef struct dxup_http dxup_http;

/* Serve o->store on o->http, on a thread of its own. *h is to be stopped also after an error. */
int dxup_http_start(dxup_http **h, const dxup_options *o, dxup_patches *patches);
/* ADDR:PORT that it listens on. */
const char *dxup_http_address(const dxup_http *h);
/* One more patch is known; from any thread. h may be NULL. */
void dxup_http_ready(dxup_http *h);
/* Ends the thread and frees h, which may be NULL. */
int dxup_http_stop(dxup_http *h);

#endif
