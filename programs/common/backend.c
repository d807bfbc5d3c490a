/* The event loop's backend by name. See backend.h. */
#include "backend.h"

#include "../../dx_reactor.h"

#include "common.h"
#include "message.h"

#include <string.h>

int prog_backend(const char *name, int *backend)
{
    static const struct {
        const char *name;
        int         backend;
    } known[] = {
        {"auto", DX_REACTOR_BACKEND_AUTO},     {"io_uring", DX_REACTOR_BACKEND_IO_URING},
        {"epoll", DX_REACTOR_BACKEND_EPOLL},   {"kqueue", DX_REACTOR_BACKEND_KQUEUE},
        {"iocp", DX_REACTOR_BACKEND_IOCP},
    };
    *backend = DX_REACTOR_BACKEND_AUTO;
    if (!name) return PROG_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        *backend = known[i].backend;
        return PROG_OK;
    }
    return prog_fail(PROG_USAGE, "--backend: '%s' is not one of auto, io_uring, epoll, kqueue, "
                                 "iocp", name);
}
