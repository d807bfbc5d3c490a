/* Who may connect to a server. So many connections may be open in all, and so many of one network:
   an IPv4 address, or the first 64 bits of an IPv6 address, which is what one customer gets.

       entered --- the first request has come ---> proven ---.
          '------------- closes, or gives way --------------'--> left

   When either limit is reached, the connection that has sent no whole request for the longest time
   gives way, of the same network or of all: whoever dribbles half a frame keeps nobody out. Proven
   ones never give way. One thread. */
#ifndef DXUP_GUESTS_H
#define DXUP_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dxup_guests dxup_guests;

typedef struct dxup_guest { /* a part of the caller's connection; zero: it has not entered */
    struct dxup_network *network; /* NULL: of no network, so no limit of one */
    struct dxup_guest   *older[2], *newer[2]; /* among those not proven: of all, of its network */
    bool                 inside;
    bool                 proven;
} dxup_guest;

dxup_guests *dxup_guests_open(size_t guests_max, size_t network_max);
void         dxup_guests_close(dxup_guests *g);
/* The connection on that socket enters. *leaves: it takes the place of this one, which the caller
   closes now, and which has left; NULL: of none. False: it may not enter. */
bool dxup_guests_enter(dxup_guests *g, dxup_guest *guest, int socket, dxup_guest **leaves);
/* It has sent a request. */
void dxup_guests_prove(dxup_guests *g, dxup_guest *guest);
/* It closes. Also of one that has left, or did not enter. */
void dxup_guests_leave(dxup_guests *g, dxup_guest *guest);

#endif
