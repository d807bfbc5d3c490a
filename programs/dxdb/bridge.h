/* What TLS and WebSocket have in common: they forward a connection to a protocol over a pair of sockets.
   The protocol serves its end like the connection of any client:

       client <--> outer | tls.c, ws.c | inner <--socket pair--> HTTP or HBTP */
#ifndef DXDB_BRIDGE_H
#define DXDB_BRIDGE_H

#include "guard.h"
#include "text.h"

enum { DXDB_BRIDGE_BLOCK_SIZE = 16384 }; /* bytes sent at once, and of a block of both sides' peers */

typedef struct dxdb_bridge_output { /* {0}; what the client was sent and has not taken, at the last look */
    size_t   kept;
    uint32_t queued;   /* in its peer, */
    int      unread;   /* and in its socket */
    uint64_t stuck_ms; /* all three are the same for this time */
} dxdb_bridge_output;

/* Send output that was kept. True: all of it was sent. False: the rest waits for `drained`. */
bool dxdb_bridge_send(dx_peers *peers, dx_peers_id id, dxdb_text *kept);
/* Make the pair: one end is added to `inner`, with the link as its data, and `add` has the protocol
   serve the other one. The guard knows the client by `outer_fd`. *id: of the peer in `inner`. False:
   that is not possible now; *id is 0, and nothing is left that knows of the link. */
bool dxdb_bridge_connect(dx_peers *inner, dxdb_guard *guard, int outer_fd,
                         int (*add)(void *protocol, int fd), void *protocol, void *link,
                         dx_peers_id *id);
/* A look at the client's output, `passed_ms` after the last one; kept: what waits to be sent. True: it
   has not moved for twice lag_ms, so the connection is to be cut off. The protocol has lag_ms, and
   says why where it can. */
bool dxdb_bridge_is_stuck(dxdb_bridge_output *output, const dxdb_config *config, dx_peers *peers,
                          dx_peers_id id, size_t kept, uint64_t passed_ms);

#endif
