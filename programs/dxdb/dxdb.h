/* Shared by all files of dxdb. From the bottom; a file uses only those above it in this list:

   config.c        the configuration: addresses, the database, queries
   connection.c    one connection to PostgreSQL on the event loop
   type.c          teleport types that are made at run time
   rows.c          maps a query's columns to fields, and rows to records
   json.c          such a record, and its type, as JSON
   keys.c          which rows a query depends on, and which have changed
   pgoutput.c      decodes the messages of logical replication
   gather.c        the changed keys of each transaction, from these messages
   stream.c        the connection that receives changes by logical replication
   catalog.c       the connection that describes queries, receives notifications of changes, and
                   watches the schema
   pool.c          connections that run queries, and the requests that wait for one
   results.c       results of queries: from the cache, or from the database with one query for all
                   concurrent requests
   patcher.c       a thread that makes patches of large records
   follow.c        subscriptions: results that are kept up to date, and patches of their changes
   metrics.c       counters
   health.c        whether all workers can answer
   guard.c         tokens, rates, origins
   body.c          parameters of writes over HTTP
   page.c          the page of the server
   ws.c            WebSocket between HTTP and HBTP
   bridge.c        the pair of sockets of both
   hbtp.c http.c   the protocols of the clients
   tls.c           TLS between them and the network
   worker.c        all of that on one event loop
   triggers.c      `dxdb install-triggers`
   table.c main.c  the command line */
#ifndef DXDB_H
#define DXDB_H

#include "../common/common.h"
#include "../common/queries.h"

#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../dx_reactor.h"
#include "../../dx_teleport.h"
#include "../../layers/dx_cache.h"
#include "../../layers/dx_link.h"
#include "../../layers/dx_middleware.h"
#include "../../layers/dx_sha256.h"
#include "../../layers/dx_states.h"
#include "../../layers/dx_token.h"

enum {
    DXDB_QUERIES_MAX    = 128,  /* an HBTP method is one byte; 0 and 255 are taken */
    DXDB_WRITES_MAX     = 64,
    DXDB_STATEMENTS_MAX = 16,   /* per write */
    DXDB_PARAMETERS_MAX = 16,   /* per query */
    DXDB_TABLES_MAX     = 24,   /* per query */
    DXDB_NAME_SIZE_MAX  = 63,   /* of a query or parameter, as in PostgreSQL */
    DXDB_TEXT_SIZE      = 256,  /* of an error message */
    DXDB_FIRST_MS       = 1000  /* for the first request of a connection, when a server ends */
};

/* Statuses of answers, the same in HTTP and HBTP. */
enum {
    DXDB_OK          = 200,
    DXDB_BAD_REQUEST = 400,
    DXDB_NOT_FOUND   = 404,
    DXDB_CONFLICT    = 409,
    DXDB_GONE        = 410,
    DXDB_TOO_BIG     = 413,
    DXDB_TOO_MANY    = 429,
    DXDB_FAILED      = 500,
    DXDB_UNAVAILABLE = 503,
    DXDB_TIMEOUT     = 504
};

#endif
