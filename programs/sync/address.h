/* The address of a server: numeric, a name for the system's resolver, or a unix socket. */
#ifndef DXUP_ADDRESS_H
#define DXUP_ADDRESS_H

#include "../common/common.h"

#include "../../dx_reactor.h"

enum { DXUP_ADDRESSES_MAX = 8 };

/* A host may have several addresses; a client tries them in order. */
typedef struct dxup_addresses {
    dx_reactor_address list[DXUP_ADDRESSES_MAX];
    unsigned           count;
} dxup_addresses;

/* Parse and look up "127.0.0.1:7000", "[::1]:7000", "example.org:7000" or "unix:PATH". what: the
   option or argument, for messages. PROG_USAGE: malformed; PROG_NETWORK: the lookup failed. */
int dxup_addresses_find(dxup_addresses *a, const char *text, const char *what);
/* Has the text that form? Nothing is looked up. PROG_USAGE: with a message that begins with what. */
int dxup_address_check(const char *what, const char *text);
/* Is the text such an address rather than a path? Nothing is looked up. */
bool dxup_is_address(const char *text);
/* The same as dxup_addresses_find() for a server that is about to listen on the first address: also removes the unix socket
   that a killed server left. */
int dxup_addresses_find_mine(dxup_addresses *a, const char *text, const char *what);

#endif
