/* The connection that receives changes by logical replication. It has a temporary slot of its own, which
   ends with it: a dxdb that is gone keeps no log. So everything that changes while there is none is
   missed, and whoever uses it must forget what it has read before `started`.

   A walsender may send a transaction before others can see it: its commit is written, and it waits for
   a standby, or just has not left the list of running ones. A query that begins then still reads the old
   rows. So transactions stay in a queue (gather.h) until a snapshot has them. */
#ifndef DXDB_STREAM_H
#define DXDB_STREAM_H

#include "config.h"
#include "connection.h"
#include "gather.h"

typedef struct dxdb_stream dxdb_stream;

typedef struct dxdb_stream_calls {
    /* From here on every transaction is received that becomes visible. */
    void (*started)(dxdb_stream *s);
    /* Transactions came into the queue, or the position has moved. */
    void (*moved)(dxdb_stream *s);
    /* It was lost, or could not be started; it tries again. The queue is empty. */
    void (*lost)(dxdb_stream *s, const char *why);
} dxdb_stream_calls;

struct dxdb_stream { /* the first fields may be read */
    bool        is_on;
    dxdb_gather gather;
    void       *user;

    const dxdb_config       *config;
    const dxdb_stream_calls *calls;
    dx_reactor     *reactor;
    dxdb_connection connection;
    bool            is_wanted;
    int             phase;      /* see stream.c */
    char            slot[32];
    uint64_t        reported;   /* position that the server knows */
    uint64_t        heard_ns;   /* when something came last */
};

/* Connect. keys: of gather.h. It starts with dxdb_stream_start(). */
void dxdb_stream_begin(dxdb_stream *s, dx_reactor *r, const dxdb_config *config,
                       const dxdb_stream_calls *calls, void *user, const dxdb_gather_calls *keys,
                       uint64_t seed);
/* Create the slot and begin, now or once it is connected. */
void dxdb_stream_start(dxdb_stream *s);
/* Give it up, as if it were lost, until the next start. */
void dxdb_stream_stop(dxdb_stream *s, const char *why);
/* Ask the server whether it is still there. Call it regularly. */
void dxdb_stream_beat(dxdb_stream *s);
/* Tell and remove the transactions of the queue that a snapshot has. */
void dxdb_stream_see(dxdb_stream *s, const char *snapshot,
                     void (*tell)(void *user, const dxdb_committed *t), void *user);
void dxdb_stream_end(dxdb_stream *s);
bool dxdb_stream_is_ended(const dxdb_stream *s);
void dxdb_stream_free(dxdb_stream *s);

#endif
