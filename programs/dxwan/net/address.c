/* Addresses. See address.h. */
#include "address.h"

#include "../../common/options.h"
#include "../../common/os.h"

#include <string.h>

enum { HOST_SIZE_MAX = 256 };

static void copy_first(void *user, const void *address, size_t size)
{
    dx_reactor_address *a = user;
    if (a->size || size > sizeof a->bytes) return;
    memcpy(a->bytes, address, size);
    a->size = (uint32_t)size;
}

int wan_address_find(dx_reactor_address *a, const char *text)
{
    char host[HOST_SIZE_MAX];
    const char *colon = strrchr(text, ':');
    uint64_t port;
    memset(a, 0, sizeof *a);
    if (!dx_reactor_address_parse(a, text)) return PROG_OK;
    memset(a, 0, sizeof *a);
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host ||
        memchr(text, ':', (size_t)(colon - text)))
        return prog_fail(PROG_USAGE, "'%s' is not an address; give HOST:PORT, such as "
                         "192.0.2.1:7100 or example.org:7100", text);
    int status = prog_parse_number("PORT", colon + 1, 0, 65535, &port);
    if (status) return status;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    const char *why = os_resolve(host, colon + 1, copy_first, a);
    if (why) return prog_fail(PROG_NETWORK, "%s: %s", text, why);
    return a->size ? PROG_OK : prog_fail(PROG_NETWORK, "%s: no address found", text);
}
