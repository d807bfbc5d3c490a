/* One connection to PostgreSQL on the event loop: libpq in non-blocking pipeline mode, or for logical
   replication, with commands one at a time and then CopyBoth. It reconnects after 100 ms, 200 ms ... 5 s (exponential back-off with jitter). */
#ifndef DXDB_CONNECTION_H
#define DXDB_CONNECTION_H

#include "dxdb.h"

#include <libpq-fe.h>

typedef struct dxdb_connection dxdb_connection;

/* The callbacks; each may send. */
typedef struct dxdb_connection_calls {
    /* Connected or reconnected. Commands sent before are lost. */
    void (*opened)(dxdb_connection *c);
    /* The answer to the oldest unanswered command: one per command, and PGRES_PIPELINE_SYNC for
       each dxdb_connection_sync(). Valid until it returns. */
    void (*answered)(dxdb_connection *c, PGresult *result);
    void (*notified)(dxdb_connection *c, const char *channel, const char *payload);
    /* The connection was lost or could not be made: once per `opened` and per failed attempt. */
    void (*lost)(dxdb_connection *c, const char *why);
    /* Of replication: the content of a CopyData message, valid until it returns; and after all that have
       arrived. NULL elsewhere. */
    void (*copied)(dxdb_connection *c, const void *bytes, size_t size);
    void (*drained)(dxdb_connection *c);
} dxdb_connection_calls;

struct dxdb_connection { /* not to be moved; the first fields may be read */
    void    *user;
    bool     is_open;
    uint32_t unanswered; /* commands and syncs */

    const dxdb_connection_calls *calls;
    const char *url;
    dx_reactor *reactor;
    PGconn     *pg;
    bool        replicates;
    bool        is_copying;  /* both sides send CopyData */
    PGresult   *reply;       /* of replication: to the command, until its end has arrived */
    bool        is_paused;   /* it reads no more, until dxdb_connection_resume() */
    int         fd;          /* with operations started on it; -1: none */
    int         phase;       /* see connection.c */
    uint32_t    failures;    /* attempts in a row that failed or did not last */
    uint64_t    random;
    uint64_t    opened_ns;
    dx_op       read_op;
    dx_op       write_op;
    dx_op       timer_op;    /* an attempt takes too long, or the next one is due */
    char        last[DXDB_TEXT_SIZE];   /* what the server said before it closed; empty: nothing */
    char        why[DXDB_TEXT_SIZE];    /* it was lost, in full: for the log */
    char        reason[DXDB_TEXT_SIZE]; /* the same without names: for clients, who may have no token */
};

/* Start connecting. All pointers must stay valid until the event loop is closed. seed: a different
   number for each connection. */
void dxdb_connection_begin(dxdb_connection *c, dx_reactor *r, const char *url,
                           const dxdb_connection_calls *calls, void *user, uint64_t seed);
/* The same for logical replication of the database that url names. */
void dxdb_connection_begin_replication(dxdb_connection *c, dx_reactor *r, const char *url,
                                       const dxdb_connection_calls *calls, void *user, uint64_t seed);
/* Drop the connection as if it were lost, and reconnect. May be called inside a callback. */
void dxdb_connection_drop(dxdb_connection *c, const char *why);
/* The same for a message of libpq, which may name roles, hosts and files; `reason` is its class. */
void dxdb_connection_fail(dxdb_connection *c, const char *message);
void dxdb_connection_drop_for(dxdb_connection *c, const char *why, const char *reason);
/* Drop it without reconnecting. It is in use until dxdb_connection_is_ended(). */
void dxdb_connection_end(dxdb_connection *c);
bool dxdb_connection_is_ended(const dxdb_connection *c);

/* Send commands. False: it is not open, or was dropped by this call; `lost` follows. */
bool dxdb_connection_run(dxdb_connection *c, const char *sql, int count, const char *const *values);
/* types: of the first `count` parameters, 0 for those that the server infers. */
bool dxdb_connection_prepare(dxdb_connection *c, const char *name, const char *sql, int count,
                             const Oid *types);
bool dxdb_connection_describe(dxdb_connection *c, const char *name);
bool dxdb_connection_execute(dxdb_connection *c, const char *name, int count,
                             const char *const *values);
/* Send a sync, and flush. After a command fails, the others up to the next sync are skipped:
   PGRES_PIPELINE_ABORTED. */
bool dxdb_connection_sync(dxdb_connection *c);

/* Of replication: send a command, the one before which is answered; or, once a command was answered with
   PGRES_COPY_BOTH, the content of a CopyData message. */
bool dxdb_connection_command(dxdb_connection *c, const char *command);
bool dxdb_connection_copy(dxdb_connection *c, const void *bytes, size_t size);
/* Read no more messages. May be called inside `copied`, after which no other one comes. */
void dxdb_connection_pause(dxdb_connection *c);
void dxdb_connection_resume(dxdb_connection *c);

/* A notice receiver of libpq, which would print them as they are, in several lines. user: a connection, or
   NULL. Why the server closes is kept for dxdb_connection_fail(); a warning is printed. */
void dxdb_notice(void *user, const PGresult *notice);
/* Copy the first line of an error message, without "ERROR: " and SQLSTATE. */
void dxdb_first_line(char *out, size_t size, const char *text);

#endif
