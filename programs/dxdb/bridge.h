/* What TLS and WebSocket have in common: they forward a connection to a protocol over a pair of sockets.
   The protocol serves its end like the connection of any client:

       client <--> outer | tls.c, ws.c | inner <--socket pair--> HTTP or HBTP */
#ifndef DXDB_BRIDGE_H
#define DXDB_BRIDGE_H

#include "guard.h"
#include "text.h"

enum { DXDB_BRIDGE_BLOCK_SIZE = 16384 }; /* bytes sent at once, and of a block of both sides' peers */

typedef struct dxdb_bridge_output { /* {0}; what the client was sent and has not taken, at the last check */
    size_t   kept;
    uint32_t queued;   /* in its peer, */
    int      unread;   /* and in its socket */
    uint64_t stuck_ms; /* all three are the same for this time */
    bool     is_cut;   /* that was too long */
} dxdb_bridge_output;

/* A side's peers: their number and blocks. Whoever has received what the other side cannot take yet is on
   hold; the blocks are enough for the input of all at once, and twice `more` are left besides, of which output
   always has half. */
void dxdb_bridge_blocks(dx_peers_desc *desc, const dxdb_config *config, const dx_reactor *r, uint32_t more);
/* Send output that was kept. True: all of it was sent. False: the rest waits for `drained`. */
bool dxdb_bridge_send(dx_peers *peers, dx_peers_id id, dxdb_text *kept);
/* Make the pair: one end is added to `inner`, with the link as its data, and `add` has the protocol
   serve the other one. The guard knows the client by `outer_fd`. *id: of the peer in `inner`. False:
   that is not possible now; *id is 0, and nothing is left that knows of the link. */
bool dxdb_bridge_connect(dx_peers *inner, dxdb_guard *guard, int outer_fd,
                         int (*add)(void *protocol, int fd), void *protocol, void *link,
                         dx_peers_id *id);
/* Check the client's output, `passed_ms` after the last check; kept: bytes that wait to be sent; id 0: the
   client is gone. True, once: it has not moved for twice lag_ms, so the connection is to be cut off. The
   protocol has lag_ms, and says why where it can. */
bool dxdb_bridge_is_stuck(dxdb_bridge_output *output, const dxdb_config *config, dx_peers *peers,
                          dx_peers_id id, size_t kept, uint64_t passed_ms);

#endif
