/* A pair of sockets to a protocol. See bridge.h. */
#include "bridge.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void dxdb_bridge_blocks(dx_peers_desc *desc, const dxdb_config *config, const dx_reactor *r, uint32_t more)
{
    const uint32_t each = (dx_reactor_ext_pool_size(r) + DXDB_BRIDGE_BLOCK_SIZE - 1) / DXDB_BRIDGE_BLOCK_SIZE;
    const uint32_t input = (1 + each) * config->connections + each * dx_reactor_ext_pool_count(r);
    desc->peers_max = config->connections;
    desc->block_size = DXDB_BRIDGE_BLOCK_SIZE;
    desc->block_count = 2 * (input + more);
    desc->reserve_input = true;
}

bool dxdb_bridge_send(dx_peers *peers, dx_peers_id id, dxdb_text *kept)
{
    size_t sent = 0;
    while (id && sent < kept->size) {
        size_t size = kept->size - sent;
        if (size > DXDB_BRIDGE_BLOCK_SIZE) size = DXDB_BRIDGE_BLOCK_SIZE;
        if (dx_peers_send(peers, id, kept->bytes + sent, (uint32_t)size)) break;
        sent += size;
    }
    if (sent < kept->size) {
        memmove(kept->bytes, kept->bytes + sent, kept->size - sent);
        kept->size -= sent;
        return false;
    }
    dxdb_text_free(kept);
    return true;
}

bool dxdb_bridge_connect(dx_peers *inner, dxdb_guard *guard, int outer_fd,
                         int (*add)(void *protocol, int fd), void *protocol, void *link,
                         dx_peers_id *id)
{
    dxdb_subject subject = {0};
    int pair[2];
    *id = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) return false;
    if (dx_peers_add(inner, pair[0], NULL, id)) {
        close(pair[0]);
        close(pair[1]);
        *id = 0;
        return false;
    }
    dxdb_guard_name(guard, outer_fd, &subject);
    dxdb_guard_remember(guard, pair[1], subject.key);
    if (add(protocol, pair[1])) {
        close(pair[1]);
        (void)dx_peers_close(inner, *id, true); /* without its link, which the caller may free */
        *id = 0;
        return false;
    }
    *dx_peers_data(inner, *id) = (uint64_t)(uintptr_t)link;
    return true;
}

bool dxdb_bridge_is_stuck(dxdb_bridge_output *output, const dxdb_config *config, dx_peers *peers,
                          dx_peers_id id, size_t kept, uint64_t passed_ms)
{
    int unread = 0;
    if (!id || output->is_cut) return false;
    const uint32_t queued = dx_peers_queued(peers, id);
    (void)ioctl(dx_peers_fd(peers, id), SIOCOUTQ, &unread);
    const bool is_behind = kept || queued;
    if (!is_behind || kept != output->kept || queued != output->queued || unread != output->unread)
        output->stuck_ms = 0;
    else output->stuck_ms += passed_ms;
    output->kept = kept;
    output->queued = queued;
    output->unread = unread;
    output->is_cut = output->stuck_ms >= 2 * config->lag_ms;
    return output->is_cut;
}
