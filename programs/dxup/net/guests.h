/* Limits of connections to a server: one in all, and one per network, which is an IPv4 address or the
   first 64 bits of an IPv6 address (the prefix that one customer gets).

       entered, SILENT -- a complete request ---> HEARD <--- the rest of it ---.
             '------------ a part of one ---------> HALF <-- of the next ------'

   When a limit is reached, a connection is closed to admit the next one: the oldest of the first kind
   that exists, of the same network or of all:

       1  HALF, for a second: an honest peer sends a request in one piece. For ten seconds if a
          request of it is in progress, because packet loss may have split the next one
       2  SILENT, for three seconds
       3  HALF, for less
       4  SILENT, without unread input

   HEARD ones are never closed, so slow senders cannot lock out the others. If no connection can be
   closed, the next one is refused. Single-threaded. */
#ifndef DXUP_GUESTS_H
#define DXUP_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DXUP_NETWORK_MAX = 512 }; /* default limit per network: two pulls over 256 connections */

typedef struct dxup_guests dxup_guests;

typedef enum dxup_guest_kind {
    DXUP_GUEST_SILENT,
    DXUP_GUEST_HALF,
    DXUP_GUEST_HEARD
} dxup_guest_kind;

typedef struct dxup_guest { /* embedded in the caller's connection; zero: not entered */
    struct dxup_network *network; /* NULL: without a network, so without its limit */
    struct dxup_guest   *older[2], *newer[2]; /* of the same kind: in all, in its network */
    int64_t              since_ns; /* when it became this kind */
    int                  socket;
    dxup_guest_kind      kind;
    bool                 inside;
    bool                 busy;     /* set by the caller: a request is in progress */
    bool                 reading;  /* see dxup_guests_read() */
} dxup_guest;

dxup_guests *dxup_guests_open(size_t guests_max, size_t network_max);
void         dxup_guests_close(dxup_guests *g);
/* Change the limit per network. Guests above it stay, and the next ones replace them. */
void         dxup_guests_limit(dxup_guests *g, size_t network_max);
/* Admit the connection on that socket. *leaves: another connection was removed to make room, and
   the caller must close it now; NULL: none. False: it is refused. Times are monotonic. */
bool dxup_guests_enter(dxup_guests *g, dxup_guest *guest, int socket, int64_t now_ns,
                       dxup_guest **leaves);
/* Set the kind of a guest, and restart its age. No effect on a guest that has not entered. */
void dxup_guests_set(dxup_guests *g, dxup_guest *guest, dxup_guest_kind kind, int64_t now_ns);
/* Begin a read of a kind that is limited. False: `most` guests of its network already read. */
bool dxup_guests_read(dxup_guest *guest, size_t most);
/* End the read, if there is one; leaving implies this. */
void dxup_guests_read_end(dxup_guest *guest);
/* The connection closes. No effect on a guest that has not entered. */
void dxup_guests_leave(dxup_guests *g, dxup_guest *guest);

#endif
