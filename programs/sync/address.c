/* Addresses of servers. See address.h. */
#include "address.h"
#include "../common/os.h"

#include <stdlib.h>
#include <string.h>

enum { HOST_SIZE_MAX = 256, PORT_DIGITS_MAX = 5 };

static void copy_address(void *user, const void *address, size_t size)
{
    dxup_addresses *a = user;
    dx_reactor_address *to = &a->list[a->count];
    if (a->count == DXUP_ADDRESSES_MAX || size > sizeof to->bytes) return;
    memset(to, 0, sizeof *to);
    memcpy(to->bytes, address, size);
    to->size = (uint32_t)size;
    a->count++;
}

/* Split HOST:PORT. False: it does not have that form. */
static bool split(const char *text, char host[HOST_SIZE_MAX], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t digits, size;
    if (!colon) return false;
    *port = colon + 1;
    digits = strspn(*port, "0123456789");
    size = (size_t)(colon - text);
    if (!digits || digits > PORT_DIGITS_MAX || (*port)[digits] || atoi(*port) > 65535) return false;
    if (!size || size >= HOST_SIZE_MAX || memchr(text, ':', size)) return false;
    memcpy(host, text, size);
    host[size] = 0;
    return true;
}

bool dxup_is_address(const char *text)
{
    dx_reactor_address numeric;
    char host[HOST_SIZE_MAX];
    const char *port;
    os_info info;
    if (os_stat(text, true, &info) == 0) return false;
    if (!strncmp(text, "unix:", 5) || !dx_reactor_address_parse(&numeric, text)) return true;
    return !strchr(text, '/') && split(text, host, &port);
}

int dxup_address_check(const char *what, const char *text)
{
    dx_reactor_address numeric;
    char host[HOST_SIZE_MAX];
    const char *port;
    if (text && !dx_reactor_address_parse(&numeric, text)) return PROG_OK;
    if (text && strncmp(text, "unix:", 5) != 0 && split(text, host, &port)) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s must be HOST:PORT, such as 127.0.0.1:7000 or "
                                 "example.org:7000, or unix:PATH", what);
}

int dxup_addresses_find(dxup_addresses *a, const char *text, const char *what)
{
    char host[HOST_SIZE_MAX];
    const char *port;
    a->count = 0;
    if (text && !dx_reactor_address_parse(&a->list[0], text)) {
        a->count = 1;
        return PROG_OK;
    }
    const int status = dxup_address_check(what, text);
    if (status) return status;
    (void)split(text, host, &port);
    const char *why = os_resolve(host, port, copy_address, a);
    if (why) return prog_fail(PROG_NETWORK, "%s: %s", text, why);
    return a->count ? PROG_OK : prog_fail(PROG_NETWORK, "%s: no address found", text);
}

int dxup_addresses_find_mine(dxup_addresses *a, const char *text, const char *what)
{
    int status = dxup_addresses_find(a, text, what);
    if (!status && !strncmp(text, "unix:", 5)) os_remove_left_socket(text + 5);
    return status;
}
