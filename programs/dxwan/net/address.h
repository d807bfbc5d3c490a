/* The address of a receiver: numeric, or a name for the system's resolver. */
#ifndef WAN_ADDRESS_H
#define WAN_ADDRESS_H

#include "../../common/common.h"

#include "../../../dx_reactor.h"

/* Parse and look up "127.0.0.1:7000", "[::1]:7000" or "example.org:7000"; of several addresses the
   best one. PROG_USAGE: malformed; PROG_NETWORK: the lookup failed. */
int wan_address_find(dx_reactor_address *a, const char *text);

#endif
