/* The address of a receiver: numeric, or a name for the system's resolver. */
#ifndef WAN_ADDRESS_H
#define WAN_ADDRESS_H

#include "../../common/common.h"

#include "../../../dx_reactor.h"

/* Why a text is no address, without a look-up: the end of a sentence that begins with it. NULL: it is one. */
const char *wan_address_fault(const char *text);
/* Parse and look up an address. NULL, or why there is none. */
const char *wan_address_look_up(dx_reactor_address *a, const char *text);
/* The same with a message. Parse and look up "127.0.0.1:7000", "[::1]:7000" or "example.org:7000"; of several addresses the
   best one. PROG_USAGE: malformed; PROG_NETWORK: the lookup failed. */
int wan_address_find(dx_reactor_address *a, const char *text);

#endif
