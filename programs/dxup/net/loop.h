/* The event loop, opened by the name of its backend. */
#ifndef DXUP_LOOP_H
#define DXUP_LOOP_H

#include "../../common/common.h"

#include "../../../dx_reactor.h"

bool dxup_loop_knows(const char *backend);
/* Open the event loop with the backend of that name (NULL: automatic); *memory is to be freed
   after it is closed. */
int  dxup_loop_open(dx_reactor *r, dx_reactor_desc *desc, const char *backend, void **memory);

#endif
