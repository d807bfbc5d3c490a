/* HTTP/1.1: results as JSON, or as records for those who accept them.

       GET /q/QUERY?PARAMETER=VALUE&...   an array of objects, with an ETag where the result is kept;
                                          Accept: application/x-dx-teleport: the record
       GET /q/QUERY/describe              what the query is, and its columns
       GET /  /queries                    a page that follows the queries; their names
       GET /metrics  /healthz             for Prometheus, for whoever restarts it

   A parameter that the request lacks is refused, and one without "=" is NULL. Errors are JSON:
   {"status":400,"error":"..."}. Where tokens are needed, /q/ has one: Authorization: Bearer TOKEN. */
#ifndef DXDB_HTTP_H
#define DXDB_HTTP_H

#include "guard.h"
#include "results.h"

typedef struct dxdb_http { /* private but for peers */
    dx_peers      peers;
    dxdb_results *results;
    dxdb_guard   *guard;
    void         *memory;
    bool          drains;
    uint32_t      index;  /* of the worker; set it after dxdb_http_begin() */
} dxdb_http;

/* Serve on a listening descriptor. PROG_OK, or a message. */
int  dxdb_http_begin(dxdb_http *h, dx_reactor *r, dxdb_results *results, dxdb_guard *guard,
                     int listening);
/* Accept no more; over when h->peers.count is 0. */
void dxdb_http_drain(dxdb_http *h, uint64_t within_ns);

#endif
