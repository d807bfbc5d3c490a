/* TLS for the connections of a loop, with OpenSSL. The links of dx_link.h do not know of it: each talks over a
   pair of sockets with a carrier, which talks TLS with the other side:

       other side <--TLS--> outer | OpenSSL, memory BIOs | inner <--socket pair--> link

   A sender's first handshake is a full one, and the others wait for its ticket: then they resume its session,
   so that 64 connections cost one full handshake. TLS 1.2 and 1.3. */
#ifndef WAN_TLS_H
#define WAN_TLS_H

#include "../wan.h"

#include "../../../layers/dx_link.h"

enum { WAN_TLS_POOL_SIZE = 512 << 10 }; /* bytes of input that the loop has buffers for */

typedef struct wan_tls wan_tls;

/* Do these options ask for TLS? */
bool wan_tls_is_wanted(const wan_options *o);
/* Read certificate, key and CAs and make ready to carry `links_max` links. serves: accepts connections, else
   connects them to o->address. *tls stays NULL after an error, which has its message. */
int  wan_tls_open(wan_tls **tls, dx_link *links, uint32_t links_max, const wan_options *o, bool serves);
/* Read the files only. A message says what is wrong with them. */
int  wan_tls_check(const wan_options *o, bool serves);
/* Accept on a listening descriptor, which stays the caller's. */
int  wan_tls_listen(wan_tls *tls, int fd);
/* For dx_link_desc.connect. */
int  wan_tls_connect(wan_tls *tls, const dx_reactor_address *address, dx_link_id *id);
/* The descriptor of the connection that carries a link; -1: none. */
int  wan_tls_fd(const wan_tls *tls, dx_link_id id);
/* Why TLS failed last: the end of a sentence about the other side; "": it did not. *final: it will fail again. */
const char *wan_tls_fault(const wan_tls *tls, bool *final);
/* Connections that are open. */
uint32_t wan_tls_count(const wan_tls *tls);
/* How many handshakes have completed, and how many of them resumed a session. */
void wan_tls_handshakes(const wan_tls *tls, uint64_t *all, uint64_t *resumed);
/* The event loop will be closed now, which closes all connections. */
void wan_tls_end(wan_tls *tls);
/* After that. */
void wan_tls_free(wan_tls *tls);

#endif
