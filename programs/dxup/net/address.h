/* Where a server is: numbers, a name that the system looks up, or a file of this machine. */
#ifndef DXUP_ADDRESS_H
#define DXUP_ADDRESS_H

#include "../../common/common.h"

#include "../../../dx_reactor.h"

enum { DXUP_ADDRESSES_MAX = 8 };

/* A host may have several; a client tries one after the other. */
typedef struct dxup_addresses {
    dx_reactor_address list[DXUP_ADDRESSES_MAX];
    unsigned           count;
} dxup_addresses;

/* "127.0.0.1:7000", "[::1]:7000", "example.org:7000" or "unix:PATH"; what: the option or argument,
   for messages. PROG_USAGE; PROG_NETWORK: nobody knows the name. */
int dxup_addresses_find(dxup_addresses *a, const char *text, const char *what);
/* The same for a server, who is about to listen on the first of them: what a killed one has left of
   a unix socket goes. */
int dxup_addresses_find_mine(dxup_addresses *a, const char *text, const char *what);

#endif
