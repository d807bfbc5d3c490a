/* HTTP/1.1: results as JSON, or as records for clients that accept them.

       GET /q/QUERY?PARAMETER=VALUE&...   an array of objects, with an ETag if the result is cached;
                                          Accept: application/x-dx-teleport: the record
       GET /q/QUERY/live?...              the same, and again after each change: text/event-stream. Each
                                          event has the array as its data, and the position of the
                                          log as its id; "away": the database is away; "end": why
                                          there are no more
       GET /q/QUERY/describe              the description of the query, and its columns
       POST /w/WRITE                      run a write. The body is JSON, an object of its parameters:
                                          {"position":"0/16B3748","rows":[1]}, the position as the
                                          field Dx-Position too, and the rows of each statement
       GET /w/WRITE/describe              its parameters
       GET /ws                            a WebSocket (RFC 6455) that carries HBTP: ws.h. Its Hello has
                                          the token, and its Origin must be this server's, or one
                                          of `origins`
       GET /  /queries                    a page that follows the queries (page/); their names
       GET /metrics  /healthz             for Prometheus; for a supervisor

   A request without one of the parameters is refused; a parameter without "=" is NULL. Errors are
   JSON: {"status":400,"error":"..."}. If tokens are required, requests below /q/ and /w/ carry one:
   Authorization: Bearer TOKEN. A query with the field Dx-Position is answered from what contains all
   changes before that position; it waits for that at most request_ms: 503. */
#ifndef DXDB_HTTP_H
#define DXDB_HTTP_H

#include "follow.h"
#include "guard.h"
#include "ws.h"

typedef struct dxdb_http { /* private, except peers */
    dx_peers      peers;
    dxdb_results *results;
    dxdb_follow  *follow;
    dxdb_guard   *guard;
    dxdb_ws       ws;
    void         *memory;
    struct dxdb_client *clients; /* connections that have sent something */
    dx_op         tick_op;
    uint64_t      ping_ms; /* since the last comments */
    uint32_t      fresh;     /* connections that have sent nothing yet, */
    uint64_t      opened_ns; /* and when the last one was accepted */
    bool          drains;    /* each answer ends its connection */
    bool          ends;      /* each stream ends */
    bool          is_closed; /* requests come too late */
    uint32_t      index;  /* of the worker; set it after dxdb_http_begin() */
} dxdb_http;

/* Serve on a listening descriptor, unless it is -1. add: has HBTP serve a descriptor, for WebSocket.
   Returns PROG_OK, or prints a message. */
int  dxdb_http_begin(dxdb_http *h, dx_reactor *r, dxdb_follow *follow, dxdb_guard *guard,
                     int listening, int (*add)(void *hbtp, int fd), void *hbtp);
/* Serve a connected descriptor, and own it. Not 0: it stays the caller's. */
int  dxdb_http_add(void *h, int fd);
/* Accept no more, and end each connection with its next answer. Complete when dxdb_http_expects() is
   false: every connection that was accepted has asked something, or had DXDB_FIRST_MS for it. */
void dxdb_http_listen_end(dxdb_http *h);
bool dxdb_http_expects(const dxdb_http *h);
/* Then end the streams. Complete when dxdb_http_is_busy() is false: all requests are answered, and all
   WebSockets have ended. Then dxdb_http_close(), complete when h->peers.count and h->ws.inner.count
   are 0. */
void dxdb_http_drain(dxdb_http *h);
bool dxdb_http_is_busy(const dxdb_http *h);
void dxdb_http_close(dxdb_http *h, uint64_t within_ns);
/* After the event loop was closed. */
void dxdb_http_free(dxdb_http *h);

#endif
