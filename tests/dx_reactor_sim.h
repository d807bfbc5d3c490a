/*  dx_reactor_sim.h - a simulated system for dx_reactor.h, for the tests of programs that use it
                       - MIT-0 or public domain, see the end of dx_reactor.h

    In the one file that holds the reactor's implementation:

        #define DX_REACTOR_IMPLEMENTATION
        #include "dx_reactor.h"
        #include "dx_reactor_sim.h"

        dx_reactor_sim sim;
        dx_reactor_sim_desc options = {0};
        options.memory = ...                               dx_reactor_sim_memory_size(&options)
        options.seed = 1;
        dx_reactor_sim_init(&sim, &options);
        desc.backend = DX_REACTOR_BACKEND_SIMULATED;
        desc.simulator = &sim.base;

    Sockets are in memory, with both ends on this reactor, and find each other by port. The clock
    advances only in waits, which take no real time. The seed selects the order of completions and
    the faults: the same program with the same seed sees the same completions. There are no files.
    An infinite wait that nothing can end fails with ESYS, EDEADLK. */
#ifndef DX_REACTOR_SIM_H
#define DX_REACTOR_SIM_H

#include <string.h>

/* Zero: no faults, and completions in the order of the descriptors. Rates are per 65536. */
typedef struct dx_reactor_sim_desc {
    void    *memory;          /* aligned for a pointer; borrowed while the simulation is used */
    size_t   memory_size;     /* bytes; at least dx_reactor_sim_memory_size() */
    uint64_t seed;            /* for the order of completions and the faults */
    uint32_t sockets;         /* slots, including connections not accepted yet; 0 = 256 */
    uint32_t open_max;        /* open descriptors, then EMFILE; 0 = sockets */
    uint32_t buffer;          /* bytes buffered per direction of a connection; 0 = 1024 */
    uint16_t short_transfers; /* a transfer moves less than it could */
    uint16_t interrupts;      /* a system call or a wait ends with EINTR */
    uint16_t delays;          /* possible work is postponed */
    uint16_t resets;          /* a connection breaks: ECONNRESET */
    uint16_t no_buffers;      /* a transfer ends with ENOBUFS */
    uint16_t full_queues;     /* an operation finds the submission queue full */
    uint16_t clock_jumps;     /* a wait takes up to an hour more */
    uint16_t losses;          /* a datagram is lost */
} dx_reactor_sim_desc;

typedef struct dx_reactor_sim_fd dx_reactor_sim_fd;
struct dx_reactor_sim_fd {
    uint8_t  kind, flags;
    uint16_t port;
    uint32_t order;       /* the order in which it began to wait */
    uint32_t head, count; /* of the receive buffer */
    uint8_t *bytes;
    dx_reactor_sim_fd *peer;     /* of a stream socket */
    dx_reactor_sim_fd *listener; /* the listener that will accept it */
};

typedef struct dx_reactor_sim {
    dx_reactor_simulator base; /* for desc.simulator; the rest is private */
    dx_reactor_sim_desc  options;
    dx_reactor_sim_fd   *fds;
    uint64_t random, now;
    uint32_t size, open, open_max, buffer, order; /* sockets, open and maximum; buffer: bytes of each */
    uint16_t port;
    bool     busy; /* another round may make progress */
} dx_reactor_sim;

#define DX_REACTOR_SIM_BLOCKED INT32_MIN /* same value as in the reactor */

static dx_reactor_sim *dx_reactor_sim_of(const dx_reactor *r)
{
    return (dx_reactor_sim *)(void *)r->simulator_;
}

enum { /* dx_reactor_sim_fd.kind */
    DX_REACTOR_SIM_FREE = 0, DX_REACTOR_SIM_SOCKET, DX_REACTOR_SIM_LISTENER,
    DX_REACTOR_SIM_STREAM, DX_REACTOR_SIM_DATAGRAMS,
    /* .flags: the peer has half-closed; so has this end; a reset to report once; was reset */
    DX_REACTOR_SIM_EOF = 1, DX_REACTOR_SIM_SHUT = 2, DX_REACTOR_SIM_RESET = 4,
    DX_REACTOR_SIM_BROKEN = 8,
    DX_REACTOR_SIM_FIRST = 3, DX_REACTOR_SIM_PORT = 49152 /* first descriptor, first ephemeral port */
};

/* The socket with this descriptor; NULL: none. */
static dx_reactor_sim_fd *dx_reactor_sim_at(const dx_reactor *r, int fd)
{
    uint32_t i = (uint32_t)fd - DX_REACTOR_SIM_FIRST;
    dx_reactor_sim_fd *s = dx_reactor_sim_of(r)->fds + (i < dx_reactor_sim_of(r)->size ? i : 0);
    return i >= dx_reactor_sim_of(r)->size || s->kind == DX_REACTOR_SIM_FREE || s->listener ? NULL : s;
}

static uint32_t dx_reactor_sim_random(dx_reactor *r, uint32_t below)
{
    uint64_t x = dx_reactor_sim_of(r)->random; /* xorshift64* (Vigna 2016) */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    dx_reactor_sim_of(r)->random = x;
    return (uint32_t)((((x * 0x2545f4914f6cdd1du) >> 32) * below) >> 32);
}

/* Does a fault with this rate (per 65536) strike? */
static bool dx_reactor_sim_fault(dx_reactor *r, uint16_t rate)
{
    return rate && dx_reactor_sim_random(r, 65536) < rate;
}

/* How many bytes this transfer moves. */
static uint32_t dx_reactor_sim_share(dx_reactor *r, uint32_t size)
{
    if (size < 2 || !dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.short_transfers)) return size;
    return 1 + dx_reactor_sim_random(r, size - 1);
}

/* A free slot, the lowest one as in POSIX; NULL: none. */
static dx_reactor_sim_fd *dx_reactor_sim_new(dx_reactor *r, int kind)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_of(r)->fds, *end = s + dx_reactor_sim_of(r)->size;
    uint8_t *bytes = (uint8_t *)end;
    for (; s->kind != DX_REACTOR_SIM_FREE; s++, bytes += dx_reactor_sim_of(r)->buffer)
        if (s + 1 == end) return NULL;
    memset(s, 0, sizeof *s);
    s->kind = (uint8_t)kind;
    s->bytes = bytes;
    return s;
}

/* A slot with a descriptor for the program. NULL: EMFILE. */
static dx_reactor_sim_fd *dx_reactor_sim_open_fd(dx_reactor *r, int kind, int *fd)
{
    bool room = dx_reactor_sim_of(r)->open < dx_reactor_sim_of(r)->open_max;
    dx_reactor_sim_fd *s = room ? dx_reactor_sim_new(r, kind) : NULL;
    if (!s) return NULL;
    dx_reactor_sim_of(r)->open++;
    *fd = (int)(s - dx_reactor_sim_of(r)->fds) + DX_REACTOR_SIM_FIRST;
    dx_reactor_p_fd_fresh(r, *fd);
    return s;
}

/* The connection that has waited longest for this listener to accept it; NULL: none. */
static dx_reactor_sim_fd *dx_reactor_sim_first(const dx_reactor *r,
                                                   const dx_reactor_sim_fd *listener)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_of(r)->fds, *end = s + dx_reactor_sim_of(r)->size, *first = NULL;
    for (; s < end; s++)
        if (s->kind != DX_REACTOR_SIM_FREE && s->listener == listener &&
            (!first || s->order - first->order > UINT32_MAX / 2))
            first = s;
    return first;
}

/* Reset the connection at both ends; bytes in flight are lost. */
static void dx_reactor_sim_cut(dx_reactor_sim_fd *s)
{
    dx_reactor_sim_fd *peer = s->peer;
    s->flags |= DX_REACTOR_SIM_RESET | DX_REACTOR_SIM_BROKEN | DX_REACTOR_SIM_EOF;
    s->count = 0;
    s->peer = NULL;
    if (peer) dx_reactor_sim_cut(peer);
}

/* Close. As on a real system, unread bytes or a missing accept turn the close into a reset. */
static void dx_reactor_sim_drop(dx_reactor_sim_fd *s)
{
    if (s->peer && (s->count || s->listener)) dx_reactor_sim_cut(s->peer);
    else if (s->peer) s->peer->flags |= DX_REACTOR_SIM_EOF;
    if (s->peer) s->peer->peer = NULL;
    s->kind = DX_REACTOR_SIM_FREE;
}

static int32_t dx_reactor_sim_close_fd(dx_reactor *r, int fd)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_at(r, fd), *waiting;
    if (!s) return -EBADF;
    while ((waiting = dx_reactor_sim_first(r, s)) != NULL) dx_reactor_sim_drop(waiting);
    dx_reactor_sim_drop(s);
    dx_reactor_sim_of(r)->open--;
    return 0;
}

static int32_t dx_reactor_sim_shutdown(dx_reactor *r, int fd)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_at(r, fd);
    if (!s) return -EBADF;
    if (s->kind != DX_REACTOR_SIM_STREAM) return -ENOTCONN;
    if (s->peer) s->peer->flags |= DX_REACTOR_SIM_EOF;
    s->flags |= DX_REACTOR_SIM_SHUT;
    return 0;
}

static int32_t dx_reactor_sim_accept(dx_reactor *r, dx_reactor_sim_fd *s)
{
    dx_reactor_sim_fd *made = dx_reactor_sim_first(r, s);
    if (s->kind != DX_REACTOR_SIM_LISTENER) return -EINVAL;
    if (!made) return DX_REACTOR_SIM_BLOCKED;
    if (dx_reactor_sim_of(r)->open >= dx_reactor_sim_of(r)->open_max) return -EMFILE;
    made->listener = NULL;
    dx_reactor_sim_of(r)->open++;
    return (int32_t)(made - dx_reactor_sim_of(r)->fds) + DX_REACTOR_SIM_FIRST;
}

/* The listener or datagram socket bound to a port; NULL: none. */
static dx_reactor_sim_fd *dx_reactor_sim_bound(const dx_reactor *r, int kind, uint16_t port)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_of(r)->fds, *end = s + dx_reactor_sim_of(r)->size;
    for (; s < end; s++)
        if (s->kind == kind && s->port == port) return s;
    return NULL;
}

static int32_t dx_reactor_sim_connect(dx_reactor *r, dx_reactor_sim_fd *s, const dx_op *op)
{
    dx_reactor_sim_fd *listener, *other;
    dx_reactor_address address;
    if (s->kind != DX_REACTOR_SIM_SOCKET) return -EISCONN;
    memcpy(address.bytes, op->buffer_, op->u_.bytes.size);
    address.size = op->u_.bytes.size;
    listener = dx_reactor_sim_bound(r, DX_REACTOR_SIM_LISTENER, dx_reactor_address_port(&address));
    if (!listener) return -ECONNREFUSED;
    other = dx_reactor_sim_new(r, DX_REACTOR_SIM_STREAM);
    if (!other) return DX_REACTOR_SIM_BLOCKED; /* until a descriptor is closed */
    other->listener = listener;
    other->order = dx_reactor_sim_of(r)->order++;
    other->peer = s;
    s->peer = other;
    s->kind = DX_REACTOR_SIM_STREAM;
    return 0;
}

/* Copy bytes into, or out of, a socket's receive buffer. */
static void dx_reactor_sim_put(dx_reactor *r, dx_reactor_sim_fd *s, const void *data, uint32_t size)
{
    uint32_t i;
    for (i = 0; i < size; i++, s->count++)
        s->bytes[(s->head + s->count) % dx_reactor_sim_of(r)->buffer] = ((const uint8_t *)data)[i];
}

static void dx_reactor_sim_take(dx_reactor *r, dx_reactor_sim_fd *s, void *out, uint32_t size)
{
    uint32_t i;
    for (i = 0; i < size; i++, s->count--) {
        if (out) ((uint8_t *)out)[i] = s->bytes[s->head];
        s->head = (s->head + 1) % dx_reactor_sim_of(r)->buffer;
    }
}

static int32_t dx_reactor_sim_recv(dx_reactor *r, dx_reactor_sim_fd *s, uint8_t *out,
                                     uint32_t size)
{
    uint32_t flags = s->flags;
    if (!s->count) { /* always true after a reset */
        s->flags &= (uint8_t)~DX_REACTOR_SIM_RESET;
        if (flags & DX_REACTOR_SIM_RESET) return -ECONNRESET;
        return (flags & DX_REACTOR_SIM_EOF) ? 0 : DX_REACTOR_SIM_BLOCKED;
    }
    size = dx_reactor_sim_share(r, s->count < size ? s->count : size);
    dx_reactor_sim_take(r, s, out, size);
    return (int32_t)size;
}

static int32_t dx_reactor_sim_send(dx_reactor *r, dx_reactor_sim_fd *s, const uint8_t *data,
                                     uint32_t size)
{
    dx_reactor_sim_fd *peer = s->peer;
    uint32_t room = peer ? dx_reactor_sim_of(r)->buffer - peer->count : size;
    bool reset = (s->flags & DX_REACTOR_SIM_RESET) != 0;
    if (s->flags & DX_REACTOR_SIM_SHUT) return -EPIPE;
    s->flags &= (uint8_t)~DX_REACTOR_SIM_RESET;
    if (s->flags & DX_REACTOR_SIM_BROKEN) return reset ? -ECONNRESET : -EPIPE;
    if (!room && size) return DX_REACTOR_SIM_BLOCKED;
    size = dx_reactor_sim_share(r, size < room ? size : room);
    if (!peer) dx_reactor_sim_cut(s); /* the peer has closed: reply with a reset */
    if (peer) dx_reactor_sim_put(r, peer, data, size);
    return (int32_t)size;
}

/* A datagram in the receiver's buffer: size, sender's address, bytes. It is lost if there is no
   room or no receiver. */
static int32_t dx_reactor_sim_datagram(dx_reactor *r, dx_reactor_sim_fd *s, const dx_op *op)
{
    dx_reactor_datagram *d = (dx_reactor_datagram *)op->buffer_;
    uint32_t size, head = sizeof size + sizeof d->address;
    if (s->kind != DX_REACTOR_SIM_DATAGRAMS) return -ENOTSOCK;
    if (op->kind_ == DX_REACTOR_P_RECVFROM) {
        if (!s->count) return DX_REACTOR_SIM_BLOCKED;
        dx_reactor_sim_take(r, s, &size, sizeof size);
        dx_reactor_sim_take(r, s, &d->address, sizeof d->address);
        dx_reactor_sim_take(r, s, d->data, size < d->size ? size : d->size);
        if (size > d->size) dx_reactor_sim_take(r, s, NULL, size - d->size);
        return size > d->size ? -EMSGSIZE : (int32_t)size;
    } else {
        uint16_t port = dx_reactor_address_port(&d->address), wire = htons(s->port);
        dx_reactor_sim_fd *to = dx_reactor_sim_bound(r, DX_REACTOR_SIM_DATAGRAMS, port);
        dx_reactor_address from = d->address;
        if (!d->address.size) return -EDESTADDRREQ;
        if (d->size > 65507) return -EMSGSIZE;
        memcpy(from.bytes + 2, &wire, sizeof wire);
        if (!to || dx_reactor_sim_of(r)->buffer - to->count < head ||
            dx_reactor_sim_of(r)->buffer - to->count - head < d->size ||
            dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.losses))
            return (int32_t)d->size;
        dx_reactor_sim_put(r, to, &d->size, sizeof d->size);
        dx_reactor_sim_put(r, to, &from, sizeof from);
        dx_reactor_sim_put(r, to, d->data, d->size);
        return (int32_t)d->size;
    }
}

static int32_t dx_reactor_sim_poll(const dx_reactor *r, const dx_reactor_sim_fd *s,
                                     uint32_t interest)
{
    const uint8_t both = DX_REACTOR_SIM_EOF | DX_REACTOR_SIM_SHUT;
    bool room = s->kind == DX_REACTOR_SIM_STREAM || s->kind == DX_REACTOR_SIM_DATAGRAMS;
    uint32_t found = 0;
    if (s->count || (s->flags & DX_REACTOR_SIM_EOF) || dx_reactor_sim_first(r, s))
        found |= DX_REACTOR_READABLE;
    if (s->peer) room = s->peer->count < dx_reactor_sim_of(r)->buffer;
    if (room) found |= DX_REACTOR_WRITABLE;
    found &= interest;
    if (s->flags & DX_REACTOR_SIM_RESET) found |= DX_REACTOR_ERROR;
    if ((s->flags & DX_REACTOR_SIM_BROKEN) || (s->flags & both) == both) found |= DX_REACTOR_HUP;
    return found ? (int32_t)found : DX_REACTOR_SIM_BLOCKED;
}

static int32_t dx_reactor_sim_do(dx_reactor *r, dx_reactor_sim_fd *s, dx_op *op)
{
    uint8_t *at = op->buffer_ ? (uint8_t *)op->buffer_ + op->u_.bytes.done : NULL;
    uint32_t size = op->u_.bytes.size - op->u_.bytes.done;
    if (op->kind_ == DX_REACTOR_P_RECVFROM || op->kind_ == DX_REACTOR_P_SENDTO)
        return dx_reactor_sim_datagram(r, s, op);
    if (op->kind_ == DX_REACTOR_P_POLL) return dx_reactor_sim_poll(r, s, op->u_.bytes.size);
    if (op->kind_ == DX_REACTOR_P_ACCEPT) return dx_reactor_sim_accept(r, s);
    if (op->kind_ == DX_REACTOR_P_CONNECT) return dx_reactor_sim_connect(r, s, op);
    if (op->kind_ == DX_REACTOR_P_FSYNC) return -EINVAL;
    if (dx_reactor_p_side(op) == DX_REACTOR_P_OTHERS) return -ESPIPE;
    if (s->kind != DX_REACTOR_SIM_STREAM) return -ENOTCONN;
    if (dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.resets)) dx_reactor_sim_cut(s);
    if (dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.no_buffers)) return -ENOBUFS;
    return dx_reactor_p_side(op) == DX_REACTOR_P_READS ? dx_reactor_sim_recv(r, s, at, size)
                                                       : dx_reactor_sim_send(r, s, at, size);
}

static int32_t dx_reactor_sim_attempt(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_at(r, e->fd);
    int32_t result = -EINTR;
    if (dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.delays)) {
        dx_reactor_sim_of(r)->busy = true;
        return DX_REACTOR_SIM_BLOCKED;
    }
    if (!dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.interrupts))
        result = s ? dx_reactor_sim_do(r, s, op) : -EBADF;
    if (result != DX_REACTOR_SIM_BLOCKED) dx_reactor_sim_of(r)->busy = true;
    return result;
}

/* Nothing happens before the next wait. */
static void dx_reactor_sim_issue(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    dx_reactor_sim_of(r)->busy = true;
    if (dx_reactor_sim_fault(r, dx_reactor_sim_of(r)->options.full_queues))
        dx_reactor_p_retry_later(r, e, op, DX_REACTOR_P_F_STALLED);
    else if (!dx_reactor_sim_at(r, op->fd_)) dx_reactor_p_end(r, e, op, -EBADF);
}

/* Cancel now or in the next wait, where it may still succeed. */
static void dx_reactor_sim_cancel(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    bool later = dx_reactor_sim_of(r)->options.seed && dx_reactor_sim_random(r, 2);
    dx_reactor_sim_of(r)->busy = true;
    if (!later) dx_reactor_p_end(r, e, op, -ECANCELED);
}

static int dx_reactor_sim_wait(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    dx_reactor_sim *sim = dx_reactor_sim_of(r);
    (void)min;
    r->stats_.system_waits++;
    if (dx_reactor_sim_fault(r, sim->options.interrupts)) return -EINTR;
    do {
        uint32_t i, start = sim->options.seed ? dx_reactor_sim_random(r, sim->size) : 0;
        sim->busy = false;
        for (i = 0; i < sim->size; i++) {
            int fd = (int)((start + i) % sim->size) + DX_REACTOR_SIM_FIRST;
            dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, fd);
            if (e) dx_reactor_p_ready_event(r, e, true, true);
        }
    } while (sim->busy && timeout_ns != 0 && !r->done_ && !r->more_count_ && !r->fd_retry_);
    if (dx_reactor_sim_fault(r, sim->options.clock_jumps))
        sim->now += dx_reactor_sim_random(r, 3600) * (uint64_t)1000000000;
    if (r->done_ || r->more_count_ || r->fd_retry_ || timeout_ns == 0) return 0;
    if (timeout_ns < 0) return -EDEADLK;
    sim->now += (uint64_t)timeout_ns;
    return 0;
}

/* An in-memory socket. */
static int dx_reactor_sim_socket(dx_reactor *r, const dx_reactor_address *address, int backlog,
                                   int *fd, dx_reactor_address *bound)
{
    const int kind = backlog < 0 ? DX_REACTOR_SIM_DATAGRAMS
                                 : backlog ? DX_REACTOR_SIM_LISTENER : DX_REACTOR_SIM_SOCKET;
    uint16_t port = dx_reactor_address_port(address), wire;
    dx_reactor_sim_fd *s;
    if (backlog && port && dx_reactor_sim_bound(r, kind, port))
        return dx_reactor_p_fail(r, EADDRINUSE);
    s = dx_reactor_sim_open_fd(r, kind, fd);
    if (!s) return dx_reactor_p_fail(r, EMFILE);
    while (!port || (backlog && dx_reactor_sim_bound(r, kind, port)))
        port = (uint16_t)(dx_reactor_sim_of(r)->port++ | DX_REACTOR_SIM_PORT);
    s->port = port;
    if (!bound) return DX_REACTOR_OK;
    *bound = *address;
    wire = htons(port);
    memcpy(bound->bytes + 2, &wire, 2); /* same offset for IPv4 and IPv6 on every system */
    return DX_REACTOR_OK;
}

static uint64_t dx_reactor_sim_clock(const dx_reactor *r)
{
    return dx_reactor_sim_of(r)->now;
}

static int dx_reactor_sim_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    (void)r;
    (void)desc;
    return 0;
}

static const dx_reactor_p_backend dx_reactor_sim_backend = {
    "simulated", dx_reactor_sim_open, NULL, dx_reactor_sim_issue, dx_reactor_sim_cancel, NULL, NULL,
    dx_reactor_sim_wait, NULL, NULL, dx_reactor_sim_shutdown, dx_reactor_sim_close_fd,
    dx_reactor_sim_attempt, NULL, dx_reactor_sim_clock, dx_reactor_sim_socket};

/* >>public ------------------------------------------------------------- */
static inline size_t dx_reactor_sim_memory_size(const dx_reactor_sim_desc *d)
{
    size_t sockets = d->sockets ? d->sockets : 256, buffer = d->buffer ? d->buffer : 1024;
    return sockets * (sizeof(dx_reactor_sim_fd) + buffer);
}

/* EINVAL: a limit is out of range; ENOMEM. On success, one reactor at a time may be opened on
   it. */
static inline int dx_reactor_sim_init(dx_reactor_sim *sim, const dx_reactor_sim_desc *d)
{
    if (!sim || !d || d->sockets > 1u << 20 || d->buffer > 1u << 20) return DX_REACTOR_EINVAL;
    if (!d->memory || d->memory_size < dx_reactor_sim_memory_size(d)) return DX_REACTOR_ENOMEM;
    memset(sim, 0, sizeof *sim);
    memset(d->memory, 0, dx_reactor_sim_memory_size(d));
    sim->base.backend_ = &dx_reactor_sim_backend;
    sim->options = *d;
    sim->fds = (dx_reactor_sim_fd *)d->memory;
    sim->random = d->seed * 2 + 1;
    sim->now = 1000000000;
    sim->size = d->sockets ? d->sockets : 256;
    sim->open_max = d->open_max ? d->open_max : sim->size;
    sim->buffer = d->buffer ? d->buffer : 1024;
    return DX_REACTOR_OK;
}

/* Reset a socket's connection as the peer would. EINVAL: it has none. */
static inline int dx_reactor_sim_reset(dx_reactor *r, int fd)
{
    dx_reactor_sim_fd *s = dx_reactor_sim_at(r, fd);
    if (!s || s->kind != DX_REACTOR_SIM_STREAM) return DX_REACTOR_EINVAL;
    dx_reactor_sim_cut(s);
    return DX_REACTOR_OK;
}

/* Advance the clock. */
static inline void dx_reactor_sim_advance(dx_reactor *r, uint64_t ns)
{
    dx_reactor_sim_of(r)->now += ns;
}

#endif
