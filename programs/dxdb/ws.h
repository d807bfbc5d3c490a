/* WebSocket for HBTP, with wslay: the bytes of an HBTP connection in binary messages, for browsers. A
   connection of HTTP becomes one by GET /ws; HBTP does not know of it:

       client <--WebSocket--> outer, a peer of http.c | wslay | inner <--socket pair--> HBTP

   The limits of a message say nothing: a frame of HBTP may be in several, and several in one. A text
   message, a frame above 64 KiB and whatever RFC 6455 forbids closes the connection with a reason.
   Input waits while output does, so pings of a client that does not read are not collected. Output
   that has not moved for twice lag_ms ends the connection: HBTP has lag_ms, and says why first. */
#ifndef DXDB_WS_H
#define DXDB_WS_H

#include "bridge.h"

typedef struct dxdb_ws_link dxdb_ws_link;

typedef struct dxdb_ws { /* private, except inner.count */
    dx_peers      inner;
    dx_peers     *outer;
    dxdb_guard   *guard;
    int         (*add)(void *protocol, int fd);
    void         *protocol;
    void         *memory;
    bool          drains;
} dxdb_ws;

enum { DXDB_WS_ACCEPT_SIZE = 29 };

/* NULL: WebSocket is part of this program; else why it is not. */
const char *dxdb_ws_missing(void);
/* "wslay 1.1.1", or "no wslay". */
const char *dxdb_ws_library(void);
/* The Sec-WebSocket-Accept of a Sec-WebSocket-Key, terminated. False: this is not a key. */
bool dxdb_ws_accept(const char *key, size_t size, char accept[DXDB_WS_ACCEPT_SIZE]);
/* outer: the peers of http.c. add: have HBTP serve this descriptor and own it; 0, or it stays ours.
   Without WebSocket it does nothing. Returns PROG_OK, or prints a message. */
int  dxdb_ws_begin(dxdb_ws *w, dx_reactor *r, dxdb_guard *guard, dx_peers *outer,
                   int (*add)(void *protocol, int fd), void *protocol);
/* Connect this peer of `outer`; the answer to its request is sent first. NULL: it cannot be
   connected now. The link is valid until dxdb_ws_ended(). */
dxdb_ws_link *dxdb_ws_open(dxdb_ws *w, dx_peers_id outer, const dxdb_text *answer);
/* Callbacks of the peer, from http.c. */
size_t dxdb_ws_received(dxdb_ws_link *l, const uint8_t *bytes, size_t size, bool last);
void dxdb_ws_drained(dxdb_ws_link *l);
void dxdb_ws_ended(dxdb_ws_link *l, int32_t reason);
/* `passed_ms` after the last call. True, once: it is cut off, because its output does not move. */
bool dxdb_ws_check(dxdb_ws_link *l, uint64_t passed_ms);
/* From now on the end of a connection says that the server is going away. */
void dxdb_ws_drain(dxdb_ws *w);
/* Close those that remain; complete when w->inner.count is 0. */
void dxdb_ws_close(dxdb_ws *w, uint64_t within_ns);
/* After the event loop was closed. */
void dxdb_ws_free(dxdb_ws *w);

#endif
