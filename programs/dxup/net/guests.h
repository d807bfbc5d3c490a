/* Who may connect to a server. So many connections may be open in all, and so many of one network:
   an IPv4 address, or the first 64 bits of an IPv6 address, which is what one customer gets.

       entered, SILENT --- a whole request ---> HEARD <--- the rest of it ---.
             '------------ the beginning of one -----> HALF <-- of the next --'

   When either limit is reached, one of the same network or of all gives way to the next, the oldest
   of the first kind that there is:

       1  HALF, for a second. An honest peer sends a request in one piece. One for which something
          is under way has ten seconds: its next request may have been cut by a loss
       2  SILENT, for three seconds
       3  HALF, for less
       4  SILENT, and nothing has arrived that was not looked at yet

   HEARD ones never give way, so whoever dribbles keeps nobody out. Without one that may give way the
   next is refused. One thread. */
#ifndef DXUP_GUESTS_H
#define DXUP_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DXUP_NETWORK_MAX = 512 }; /* default limit of one network: two pulls over 256 connections */

typedef struct dxup_guests dxup_guests;

typedef enum dxup_guest_kind {
    DXUP_GUEST_SILENT,
    DXUP_GUEST_HALF,
    DXUP_GUEST_HEARD
} dxup_guest_kind;

typedef struct dxup_guest { /* a part of the caller's connection; zero: it has not entered */
    struct dxup_network *network; /* NULL: of no network, so no limit of one */
    struct dxup_guest   *older[2], *newer[2]; /* of the same kind: of all, of its network */
    int64_t              since_ns; /* it is of this kind */
    int                  socket;
    dxup_guest_kind      kind;
    bool                 inside;
    bool                 busy;     /* the caller's: something that it asked for is under way */
    bool                 reading;  /* see dxup_guests_read() */
} dxup_guest;

dxup_guests *dxup_guests_open(size_t guests_max, size_t network_max);
void         dxup_guests_close(dxup_guests *g);
/* The connection on that socket enters. *leaves: it takes the place of this one, which the caller
   closes now, and which has left; NULL: of none. False: it may not enter. Times are monotonic. */
bool dxup_guests_enter(dxup_guests *g, dxup_guest *guest, int socket, int64_t now_ns,
                       dxup_guest **leaves);
/* It is of that kind now, also when it was before. A guest that is not inside stays outside. */
void dxup_guests_set(dxup_guests *g, dxup_guest *guest, dxup_guest_kind kind, int64_t now_ns);
/* It begins to read something of which there are few. False: `most` guests of its network read. */
bool dxup_guests_read(dxup_guest *guest, size_t most);
/* It reads no more, or did not; leaving implies this. */
void dxup_guests_read_end(dxup_guest *guest);
/* It closes. Also of one that has left, or did not enter. */
void dxup_guests_leave(dxup_guests *g, dxup_guest *guest);

#endif
