/* Addresses. See address.h. */
#include "address.h"

#include "../../common/common.h"
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

static bool is_port(const char *text)
{
    uint32_t port = 0;
    size_t digits = 0;
    while (text[digits] >= '0' && text[digits] <= '9' && port <= 65535)
        port = port * 10 + (uint32_t)(text[digits++] - '0');
    return digits && !text[digits] && port <= 65535;
}

const char *wan_address_fault(const char *text)
{
    dx_reactor_address numeric;
    const char *colon = strrchr(text, ':');
    if (!dx_reactor_address_parse(&numeric, text)) return NULL;
    if (!colon || colon == text || (size_t)(colon - text) >= HOST_SIZE_MAX ||
        memchr(text, ':', (size_t)(colon - text)))
        return "is not an address; give HOST:PORT, such as 192.0.2.1:7100 or example.org:7100";
    return is_port(colon + 1) ? NULL : "is not an address: PORT is not a number from 0 to 65535";
}

const char *wan_address_look_up(dx_reactor_address *a, const char *text)
{
    char host[HOST_SIZE_MAX];
    const char *fault = wan_address_fault(text);
    memset(a, 0, sizeof *a);
    if (fault) return fault;
    if (!dx_reactor_address_parse(a, text)) return NULL;
    memset(a, 0, sizeof *a);
    const char *colon = strrchr(text, ':');
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    const char *why = os_resolve(host, colon + 1, copy_first, a);
    if (why) return why;
    return a->size ? NULL : "no address found";
}

int wan_address_find(dx_reactor_address *a, const char *text)
{
    const char *fault = wan_address_fault(text);
    if (fault) return prog_fail(PROG_USAGE, "'%s' %s", text, fault);
    const char *why = wan_address_look_up(a, text);
    return why ? prog_fail(PROG_NETWORK, "%s: %s", text, why) : PROG_OK;
}
