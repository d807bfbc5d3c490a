/* One connection to PostgreSQL on the event loop: libpq without waiting, in pipeline mode. It
   connects, and again after it was lost, 100 ms later, 200 ms ... 5 s, each shortened at random. */
#ifndef DXDB_CONNECTION_H
#define DXDB_CONNECTION_H

#include "dxdb.h"

#include <libpq-fe.h>

typedef struct dxdb_connection dxdb_connection;

/* What it calls; each may send. */
typedef struct dxdb_connection_calls {
    /* Connected, also again: what was sent before is gone. */
    void (*opened)(dxdb_connection *c);
    /* The answer to what was sent first and is not answered: one for each command, and one for each
       dxdb_connection_sync(), PGRES_PIPELINE_SYNC. Valid until it returns. */
    void (*answered)(dxdb_connection *c, PGresult *result);
    void (*notified)(dxdb_connection *c, const char *channel, const char *payload);
    /* Gone, or it could not be made: once for each opened and each failed attempt. */
    void (*lost)(dxdb_connection *c, const char *why);
} dxdb_connection_calls;

struct dxdb_connection { /* not to be moved; the first fields may be read */
    void    *user;
    bool     is_open;
    uint32_t unanswered; /* commands and syncs */

    const dxdb_connection_calls *calls;
    const char *url;
    dx_reactor *reactor;
    PGconn     *pg;
    int         fd;          /* that operations were started on; -1: none */
    int         phase;       /* see connection.c */
    uint32_t    failures;    /* attempts in a row that came to nothing, or to little */
    uint64_t    random;
    uint64_t    opened_ns;
    dx_op       read_op;
    dx_op       write_op;
    dx_op       timer_op;    /* an attempt takes too long, or the next one is due */
    char        why[DXDB_TEXT_SIZE];
};

/* Begin to connect. What it points to stays until the event loop is closed. seed: a number that
   others do not have. */
void dxdb_connection_begin(dxdb_connection *c, dx_reactor *r, const char *url,
                           const dxdb_connection_calls *calls, void *user, uint64_t seed);
/* Drop it, as if it were lost, and connect again. Also inside of a call. */
void dxdb_connection_drop(dxdb_connection *c, const char *why);
/* Drop it for ever. It is still in use until dxdb_connection_is_ended(). */
void dxdb_connection_end(dxdb_connection *c);
bool dxdb_connection_is_ended(const dxdb_connection *c);

/* Send commands. False: it is not open, or was dropped by this; `lost` tells of it later. */
bool dxdb_connection_run(dxdb_connection *c, const char *sql, int count, const char *const *values);
bool dxdb_connection_prepare(dxdb_connection *c, const char *name, const char *sql);
bool dxdb_connection_describe(dxdb_connection *c, const char *name);
bool dxdb_connection_execute(dxdb_connection *c, const char *name, int count,
                             const char *const *values);
/* Behind a command that fails, those before the next sync are skipped: PGRES_PIPELINE_ABORTED.
   Everything that was sent goes out now. */
bool dxdb_connection_sync(dxdb_connection *c);

/* The first line of an error, without "ERROR: ". */
void dxdb_first_line(char *out, size_t size, const char *text);

#endif
