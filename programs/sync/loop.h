/* An event loop with a backend given by name, and links on it. */
#ifndef DXUP_LOOP_H
#define DXUP_LOOP_H

#include "../common/common.h"

#include "../../layers/dx_link.h"

#define DXUP_AGENT "dxup 0.3.0" /* name and version in the Hello */

enum { DXUP_DRAIN_S = 10 }; /* seconds for open transfers when a server shuts down */

/* Input buffers of a client's event loop. One connection may fill all of them before it stops reading
   to make room for Pongs; then their content is in the blocks of its links, of 16 KiB each. */
enum {
    DXUP_INPUT_BUFFERS = 8,
    DXUP_INPUT_SIZE    = 1 << 15,
    DXUP_INPUT_BLOCKS  = DXUP_INPUT_BUFFERS * DXUP_INPUT_SIZE / 16384 + 8 /* and for the Pongs */
};

/* Open the event loop with the backend of that name (NULL: automatic). The caller frees *memory
   after closing it. */
int  dxup_loop_open(dx_reactor *r, dx_reactor_desc *desc, const char *backend, void **memory);

/* Open links that send dxup_hello. The caller frees *memory after closing the event loop. */
int  dxup_links_open(dx_link *l, dx_reactor *r, dx_link_desc *desc, void **memory);
/* The meaning of an error of dx_hbtp.h for a user of pull: the end of a sentence, never NULL. */
const char *dxup_protocol_text(int error);
/* The Hello of both sides. A peer that does not support it is of version 1, which also works. */
extern const dx_hbtp_hello dxup_hello;

#endif
