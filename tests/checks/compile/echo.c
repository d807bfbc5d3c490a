/* The smallest useful server, for tests/checks/footprint.sh: echoes what each connection sends. */
#define DX_REACTOR_STATIC
#define DX_REACTOR_FILE_THREADS 0 /* sockets only */
#define DX_REACTOR_IMPLEMENTATION
#include "../../../dx_reactor.h"

typedef struct peer {
    dx_op op;
    int   fd;
    char  bytes[4096];
} peer;

static uint64_t memory[32768];
static peer     peers[64];

static void received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);

static void closed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)result, (void)flags;
    ((peer *)dx_reactor_op_user(op))->fd = 0;
}

static void sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    (void)flags;
    op->fn = result < 0 ? closed : received;
    if (result < 0) dx_reactor_close_fd(r, op, p->fd);
    else dx_reactor_recv(r, op, p->fd, p->bytes, sizeof p->bytes);
}

static void received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = (peer *)dx_reactor_op_user(op);
    (void)flags;
    op->fn = result <= 0 ? closed : sent;
    if (result <= 0) dx_reactor_close_fd(r, op, p->fd);
    else dx_reactor_send(r, op, p->fd, p->bytes, (uint32_t)result);
}

static void accepted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    peer *p = peers;
    (void)op, (void)flags;
    if (result < 0) return;
    while (p < peers + 64 && p->fd) p++;
    if (p == peers + 64) {
        close(result);
        return;
    }
    dx_reactor_op_init(&p->op, received, p);
    p->fd = result;
    dx_reactor_recv(r, &p->op, p->fd, p->bytes, sizeof p->bytes);
}

int main(int count, char **arguments)
{
    dx_reactor_desc desc;
    dx_reactor_address address;
    dx_reactor r;
    dx_op op;
    int fd;
    DX_REACTOR_MEMSET(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    if (count != 2 || dx_reactor_address_parse(&address, arguments[1]) != 0 ||
        dx_reactor_open(&r, &desc) != 0 ||
        dx_reactor_listen(&r, &address, DX_REACTOR_NODELAY, 0, &fd, NULL) != 0)
        return 1;
    dx_reactor_op_init(&op, accepted, NULL);
    dx_reactor_accept_multishot(&r, &op, fd);
    return dx_reactor_run(&r) == 0 ? 0 : 1;
}
