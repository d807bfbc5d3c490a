/* The event loop, opened by the name of its backend, and links on it. */
#ifndef DXUP_LOOP_H
#define DXUP_LOOP_H

#include "../../common/common.h"

#include "../../../layers/dx_link.h"

#define DXUP_AGENT "dxup 0.3.0" /* what it calls itself, and its version */

enum { DXUP_DRAIN_S = 10 }; /* for transfers that are under way when a server is ended */

/* Open the event loop with the backend of that name (NULL: automatic); *memory is to be freed
   after it is closed. */
int  dxup_loop_open(dx_reactor *r, dx_reactor_desc *desc, const char *backend, void **memory);

/* Links that say Hello with dxup_hello; *memory is to be freed after the event loop is closed. */
int  dxup_links_open(dx_link *l, dx_reactor *r, dx_link_desc *desc, void **memory);
/* What an error of dx_hbtp.h means to somebody who pulls: the rest of a sentence, never NULL. */
const char *dxup_protocol_text(int error);
/* What both sides say first. A peer that does not know it is of version 1, which does. */
extern const dx_hbtp_hello dxup_hello;

#endif
