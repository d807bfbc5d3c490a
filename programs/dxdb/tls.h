/* TLS for HTTP and HBTP, with OpenSSL. The protocols do not know of it: each of its
   connections is carried on to one of theirs, over a pair of sockets:

       client <--TLS--> outer | OpenSSL, memory BIOs | inner <--socket pair--> HTTP or HBTP

   A handshake ends after 10 s, and at most 256 of a listener are under way: the oldest one is closed
   for the next. A client whose output has not moved for twice lag_ms is cut off, whatever the protocol
   waits for: the socket pair is full, so it would not learn of it. TLS 1.2 and 1.3, no renegotiation. */
#ifndef DXDB_TLS_H
#define DXDB_TLS_H

#include "bridge.h"

typedef struct dxdb_tls { /* private, except outer.count and inner.count */
    dx_peers      outer;
    dx_peers      inner;
    void         *context;
    dxdb_guard   *guard;
    int         (*add)(void *protocol, int fd);
    void         *protocol;
    void         *memory[2];
    struct dxdb_tls_link *links; /* the newest one */
    uint32_t      handshakes; /* under way */
    uint64_t     *stuck;
    dx_op         tick_op;
} dxdb_tls;

/* Read certificate and key. Returns PROG_OK, or prints a message. */
int  dxdb_tls_load(const dxdb_config *config, void **context);
void dxdb_tls_unload(void *context);
/* Serve on a listening descriptor. add: have the protocol serve this descriptor and own it; 0, or it
   stays ours. stuck: counts the clients that are cut off because their output does not move. Returns
   PROG_OK, or prints a message. */
int  dxdb_tls_begin(dxdb_tls *t, dx_reactor *r, dxdb_guard *guard, void *context, int listening,
                    int (*add)(void *protocol, int fd), void *protocol, uint64_t *stuck);
/* Accept no more. Complete when dxdb_tls_expects() is false: every handshake that was begun has ended,
   or had DXDB_FIRST_MS. */
void dxdb_tls_listen_end(dxdb_tls *t);
bool dxdb_tls_expects(const dxdb_tls *t);
/* Then close the other ones. Connections end with those of the protocol. */
void dxdb_tls_drain(dxdb_tls *t);
/* Close those that remain; complete when t->outer.count and t->inner.count are 0. */
void dxdb_tls_close(dxdb_tls *t, uint64_t within_ns);
/* After the event loop was closed. */
void dxdb_tls_free(dxdb_tls *t);

#endif
