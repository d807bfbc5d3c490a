/* HBTP: a method for each query.

       a query's       arguments: for each parameter its size u32 (FFFFFFFFh: NULL), then its text;
                       then nothing, or a position u64 (see below)
                       answer: the record, with header (docs/formats/teleport.md)
       a write's       arguments: the parameters as above
                       answer: position u64, then u64 for each statement: its rows
       method 0        arguments: the name of a query or write; answer: its description, as JSON
       method 255      follow a query; arguments: its method u8, 0 or 1 u8; with 1 the epoch u64 and the
                       checksum (16 bytes) of the record that the client has; then the parameters
                       answer: number u32, 1 or 0 u32, epoch u64, version u64, position u64

   A query with a position is answered from what contains all changes before it: the answer of a
   write, or pg_current_wal_insert_lsn() after a COMMIT. It waits for that at most request_ms: 503.

   The answer of method 255 names a state, to which the client subscribes: with nothing; with the
   version that it has, if its epoch is that of the answer; or with the version of the answer, if the
   u32 before the epoch is 1: its record is the current one. follow.h has the content of the state.

   Errors have the statuses of HTTP, and a text. If tokens are required, the Hello carries one. */
#ifndef DXDB_HBTP_H
#define DXDB_HBTP_H

#include "follow.h"
#include "guard.h"

typedef struct dxdb_hbtp dxdb_hbtp;

enum { DXDB_METHOD_FOLLOW = 255 };

typedef struct dxdb_method { /* private: the user data of a handler */
    dxdb_hbtp *hbtp;
    uint32_t   query;
} dxdb_method;

struct dxdb_hbtp { /* private, except links */
    dx_link        links;
    dx_hbtp_router router;
    dx_hbtp_hello  hello;
    dxdb_results  *results;
    dxdb_guard    *guard;
    dxdb_follow   *follow;
    struct dxdb_peer *peers; /* all links */
    struct dxdb_kept *newest; /* of the answers that wait for space, or NULL */
    dx_op          tick_op;
    dxdb_method    methods[DXDB_QUERIES_MAX];
    dxdb_method    writes[DXDB_WRITES_MAX];
    dxdb_method    describe;
    dxdb_method    watch;
    void          *memory;
};

/* Serve on a listening descriptor, unless it is -1. Returns PROG_OK, or prints a message. */
int  dxdb_hbtp_begin(dxdb_hbtp *h, dx_reactor *r, dxdb_follow *follow, dxdb_guard *guard,
                     int listening);
/* Serve a connected descriptor, and own it. Not 0: it stays the caller's. */
int  dxdb_hbtp_add(void *h, int fd);
/* Accept no more. Complete when dxdb_hbtp_expects() is false: every link that was accepted has asked
   something, or had DXDB_FIRST_MS for it. */
void dxdb_hbtp_listen_end(dxdb_hbtp *h);
bool dxdb_hbtp_expects(const dxdb_hbtp *h);
/* Then tell all links; complete when h->links.count is 0. */
void dxdb_hbtp_drain(dxdb_hbtp *h, uint64_t within_ns);
/* After the event loop was closed. */
void dxdb_hbtp_free(dxdb_hbtp *h);

#endif
