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
    if (!j->like[0]) return 2 + size;
    const size_t more = strlen(j->like);
    assert(more <= WAN_NAME_MAX);
    out[2 + size] = 0;
    memcpy(out + 3 + size, j->like, more);
    return 3 + size + more;
}

const char *wan_join_read(wan_join *j, const uint8_t *bytes, size_t size)
{
    if (size < 2 || bytes[0] != WAN_VERSION) return "the sender speaks another version of dxwan";
    if (bytes[1] > WAN_TREE) return "the sender wants a transfer of another kind";
    j->kind = (wan_kind)bytes[1];
    const bool is_mirror = j->kind == WAN_MIRROR || j->kind == WAN_TREE;
    const char *name = (const char *)bytes + 2;
    const char *zero = is_mirror ? memchr(name, 0, size - 2) : NULL;
    const size_t name_size = zero ? (size_t)(zero - name) : size - 2;
    const char *fault = wan_name_fault(name, name_size);
    if (fault) return fault;
    memcpy(j->name, name, name_size);
    j->name[name_size] = 0;
    j->like[0] = 0;
    if (!zero) return NULL;
    const size_t like_size = size - 3 - name_size;
    fault = wan_name_fault(zero + 1, like_size);
    if (fault) return fault;
    memcpy(j->like, zero + 1, like_size);
    j->like[like_size] = 0;
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

const char *wan_name_of(const char *path, size_t *size)
{
    size_t end = strlen(path), from = 0;
    while (end > 1 && path[end - 1] == '/') end--; /* of a directory */
    for (size_t i = 0; i < end; i++)
        if (path[i] == '/') from = i + 1;
    *size = end - from;
    return path + from;
}

int wan_join_like(wan_join *j, const char *path)
{
    size_t size;
    const char *name = wan_name_of(path, &size);
    const char *fault = wan_name_fault(name, size);
    if (fault) return prog_fail(PROG_USAGE, "'%.*s' is not the name of a copy: %s", (int)size, name, fault);
    memcpy(j->like, name, size);
    j->like[size] = 0;
    return PROG_OK;
}

int wan_join_name(wan_join *j, const char *path, const char *given)
{
    size_t size;
    const char *name = wan_name_of(path, &size);
    if (given) {
        name = given;
        size = strlen(given);
    }
    const char *fault = wan_name_fault(name, size);
    if (fault) return prog_fail(PROG_USAGE, "'%.*s' cannot be sent under this name: %s; --name gives "
                                            "it another", (int)size, name, fault);
    memcpy(j->name, name, size);
    j->name[size] = 0;
    return PROG_OK;
}
