/* Opens an event loop with a backend given by name, and links on it. See loop.h. */
#include "loop.h"

#include "../common/backend.h"

#include <assert.h>

const dx_hbtp_hello dxup_hello = {.who.agent = {DXUP_AGENT, sizeof DXUP_AGENT - 1}};

int dxup_loop_open(dx_reactor *r, dx_reactor_desc *desc, const char *backend, void **memory)
{
    int status = prog_backend(backend, &desc->backend);
    if (status) return status;
    desc->memory_size = dx_reactor_memory_size(desc);
    *memory = prog_alloc(desc->memory_size);
    desc->memory = *memory;
    int error = dx_reactor_open(r, desc);
    if (!error) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "%s: %s %s", backend ? backend : "the event loop",
                     dx_reactor_error_name(error), dx_reactor_refusal(r, desc->backend));
}

const char *dxup_protocol_text(int error)
{
    switch (error) {
    case DX_HBTP_ECORRUPT: return "a checksum does not match: bytes were damaged on the way";
    case DX_HBTP_ETOOBIG: return "a message is larger than any of dxup";
    case DX_HBTP_ETRUNCATED: return "a message is truncated";
    case DX_HBTP_EHEADER: return "a message has flags that dxup does not use";
    case DX_HBTP_ENOTSUP: return "a message has an unknown compression or encryption";
    case DX_HBTP_ETIMEDOUT: return "no answer arrived in time";
    case DX_HBTP_EAGAIN:
    case DX_HBTP_ENOSPACE: return "too many requests are waiting";
    case DX_HBTP_ECANCELED: return "the connection was closed";
    default: return "a message is malformed";
    }
}

int dxup_links_open(dx_link *l, dx_reactor *r, dx_link_desc *desc, void **memory)
{
    assert(!desc->memory);
    desc->hello = &dxup_hello;
    desc->memory_size = dx_link_memory_size(desc);
    *memory = prog_alloc(desc->memory_size);
    desc->memory = *memory;
    int error = dx_link_open(l, r, desc);
    return error ? prog_fail(PROG_SYSTEM, "cannot open the connections: %s",
                                          dx_link_error_name(error)) : PROG_OK;
}
