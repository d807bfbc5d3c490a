/* The first message of each connection. See join.h. */
#include "join.h"

#include "../../common/line.h"
#include "../../common/os.h"

#include <assert.h>
#include <string.h>

const char *wan_name_fault(const char *name, size_t size)
{
    if (!size) return "the name of the file is empty";
    if (size > WAN_NAME_MAX) return "the name of the file is longer than 240 bytes";
    if (name[0] == '.') return "the name of the file begins with a dot";
    for (size_t i = 0; i < size;) {
        uint32_t c;
        const size_t n = prog_utf8(name + i, size - i, &c);
        if (!n) return "the name of the file is not UTF-8";
        if (c < ' ' || c == 127) return "the name of the file has a control character";
        if (c == '/' || c == '\\') return "the name of the file has a slash";
        i += n;
    }
    return NULL;
}

size_t wan_join_write(const wan_join *j, uint8_t out[WAN_JOIN_SIZE_MAX])
{
    const size_t size = strlen(j->name);
    assert(size <= WAN_NAME_MAX);
    out[0] = WAN_VERSION;
    out[1] = (uint8_t)j->kind;
    memcpy(out + 2, j->name, size);
    return 2 + size;
}

const char *wan_join_read(wan_join *j, const uint8_t *bytes, size_t size)
{
    if (size < 2 || bytes[0] != WAN_VERSION) return "the sender speaks another version of dxwan";
    if (bytes[1] > WAN_TREE) return "the sender wants a transfer of another kind";
    const char *fault = wan_name_fault((const char *)bytes + 2, size - 2);
    if (fault) return fault;
    j->kind = (wan_kind)bytes[1];
    memcpy(j->name, bytes + 2, size - 2);
    j->name[size - 2] = 0;
    return NULL;
}

int wan_join_file(wan_join *j, const char *path, const char *given)
{
    os_info info;
    if (os_stat(path, true, &info) == 0 && info.kind == OS_FOLDER)
        return prog_fail(PROG_USAGE, "%s is a directory; give a file", path);
    return wan_join_name(j, path, given);
}

int wan_join_refused(const char *address, uint16_t status, const char *text)
{
    if (status == DX_HBTP_STATUS_NOT_FOUND) return wan_join_stranger(address);
    return prog_fail(PROG_REFUSED, "%s refused: %s", address, text);
}

int wan_join_stranger(const char *address)
{
    return prog_fail(PROG_NETWORK, "%s is not a dxwan receiver, or one that wants TLS", address);
}

int wan_join_hopeless(const char *address, const char *why)
{
    return prog_fail(PROG_NETWORK, "%s: TLS: %s", address, why);
}

bool wan_join_is_stranger(const dx_hbtp_session *session)
{
    switch (session->error) {
    case DX_HBTP_EVERSION:
    case DX_HBTP_ECORRUPT:
    case DX_HBTP_ETOOBIG: return true;
    default: return false;
    }
}

int wan_join_name(wan_join *j, const char *path, const char *given)
{
    size_t size = strlen(path), from = 0;
    while (size > 1 && path[size - 1] == '/') size--; /* of a directory */
    for (size_t i = 0; i < size; i++)
        if (path[i] == '/') from = i + 1;
    const char *name = given ? given : path + from;
    size = given ? strlen(given) : size - from;
    const char *fault = wan_name_fault(name, size);
    if (fault) return prog_fail(PROG_USAGE, "'%.*s' cannot be sent under this name: %s; --name gives "
                                            "it another", (int)size, name, fault);
    memcpy(j->name, name, size);
    j->name[size] = 0;
    return PROG_OK;
}
