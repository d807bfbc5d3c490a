/* dx_bulk_net.h - the bulk transfer of dx_bulk.h on TCP sockets: options, timeouts, one poll loop for both sides

   Used by bench/bench_bulk.c and tests/layers/test_bulk_net.c; an example of how it is driven. POSIX, with what Linux has besides.
   The object lies in memory. Include dx_bulk.h before. */
#ifndef BULK_NET_H
#define BULK_NET_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* >>sockets ------------------------------------------------------------ */
static uint64_t bulk_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef struct bulk_options { /* zero: the system's */
    const char *congestion;   /* "bbr", "cubic", "reno" */
    int         buffer;       /* SO_SNDBUF and SO_RCVBUF; set, they no longer grow by themselves */
    int         mss;
} bulk_options;

/* No delay, keepalive after 30 s, little unsent data in the kernel (a chunk is better late in our hands than early in
   a queue), non-blocking. *congestion (16 bytes) gets the algorithm that is in use. False: not the one that was wanted. */
static bool bulk_set_options(int fd, const bulk_options *o, char congestion[16])
{
    int one = 1, idle = 30, unsent = 131072;
    socklen_t size = 16;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (o->buffer) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &o->buffer, sizeof o->buffer);
    if (o->buffer) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &o->buffer, sizeof o->buffer);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
#ifdef TCP_KEEPIDLE
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
#endif
#ifdef TCP_NOTSENT_LOWAT
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
#endif
    memset(congestion, 0, 16);
#ifdef TCP_CONGESTION
    if (o->congestion)
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion, (socklen_t)strlen(o->congestion));
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &size);
    congestion[15] = 0;
#endif
    (void)idle, (void)unsent, (void)size;
    return !o->congestion || !strcmp(o->congestion, congestion);
}

typedef struct bulk_paths { /* what the kernel knows of connections, added up */
    uint32_t connections, ecn;  /* ecn: of them, those that negotiated it (the system's setting, RFC 3168) */
    uint64_t window, in_flight; /* bytes that may be, and that are, unacknowledged; in_flight / window is the utilisation */
    uint64_t retransmitted;     /* segments */
    uint32_t rtt_us;            /* the longest */
} bulk_paths;

/* Add a connection to *all. False: the system does not tell. */
static bool bulk_look_at(int fd, bulk_paths *all)
{
#ifdef TCP_INFO
    struct tcp_info i;
    socklen_t size = sizeof i;
    memset(&i, 0, sizeof i);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &size)) return false;
    if (size < offsetof(struct tcp_info, tcpi_total_retrans) + sizeof i.tcpi_total_retrans) return false;
    all->connections++;
    all->ecn += (i.tcpi_options & TCPI_OPT_ECN) != 0;
    all->window += (uint64_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss;
    all->in_flight += (uint64_t)i.tcpi_unacked * i.tcpi_snd_mss;
    all->retransmitted += i.tcpi_total_retrans;
    if (i.tcpi_rtt > all->rtt_us) all->rtt_us = i.tcpi_rtt;
    return true;
#else
    (void)fd, (void)all;
    return false;
#endif
}

static struct sockaddr_in bulk_address(uint32_t host, uint16_t port)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(host);
    a.sin_port = htons(port);
    return a;
}

/* A listening socket; *port 0 is filled in. */
static int bulk_listen(uint32_t host, uint16_t *port)
{
    struct sockaddr_in a = bulk_address(host, *port);
    socklen_t size = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 512) ||
        getsockname(fd, (struct sockaddr *)&a, &size)) {
        if (fd >= 0) close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* Begin to connect; poll for writing, then ask SO_ERROR. */
static int bulk_connect(uint32_t host, uint16_t port, const bulk_options *o, char congestion[16])
{
    struct sockaddr_in a = bulk_address(host, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    if (!bulk_set_options(fd, o, congestion))
        fprintf(stderr, "bulk: %s is not to be had, %s is used\n", o->congestion, congestion);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* >>loop --------------------------------------------------------------- */
enum { BULK_CONNECTIONS = 256, BULK_CONNECT_S = 30 };

typedef struct bulk_link {
    int                fd, number;     /* number in the transfer; -1: not connected yet */
    uint64_t           since_ns;
    uint8_t           *in;             /* what arrived and was not consumed */
    size_t             in_size;
    uint8_t           *place;          /* where the data of the chunk in `in` land; NULL: nowhere yet */
    size_t             placed, most;   /* bytes of them that are there, of so many */
    dx_hbtp_bulk_piece piece;          /* being sent */
    size_t             sent;           /* of it */
    bool               sending, full;  /* full: the socket takes no more */
} bulk_link;

typedef struct bulk_net {
    dx_hbtp_bulk         bulk;
    dx_hbtp_bulk_control control;      /* of the side that connects */
    bulk_link            links[BULK_CONNECTIONS];
    size_t               in_capacity;
    uint32_t             count;        /* links in use: links[0..count) */
    int                  listener;     /* of the side that is connected to; else -1 */
    uint32_t             host;
    uint16_t             port;
    bulk_options         options;
    char                 congestion[16];
    bool                 adaptive;     /* let the controller decide how many; else as many as it began with */
    bool                 gave_up;
    uint8_t             *target;       /* receiver: the object's memory; NULL: everything goes through write() */
    bulk_paths           paths;        /* of all connections, looked at every 100 ms */
    uint64_t             looked_ns;
} bulk_net;

static void bulk_add(bulk_net *n, int fd, int number, uint64_t now)
{
    bulk_link *l = &n->links[n->count++];
    memset(l, 0, sizeof *l);
    l->fd = fd;
    l->number = number;
    l->since_ns = now;
    l->in = (uint8_t *)malloc(n->in_capacity);
    if (!l->in) abort();
}

/* All connections of a transfer, now. */
static bulk_paths bulk_look(const bulk_net *n)
{
    bulk_paths all;
    memset(&all, 0, sizeof all);
    for (uint32_t i = 0; i < n->count; i++) (void)bulk_look_at(n->links[i].fd, &all);
    return all;
}

static void bulk_remove(bulk_net *n, uint32_t i, bool failed, uint64_t now)
{
    bulk_link *l = &n->links[i];
    if (l->number >= 0) dx_hbtp_bulk_drop(&n->bulk, l->number);
    close(l->fd);
    free(l->in);
    *l = n->links[--n->count];
    if (failed && n->listener < 0 && dx_hbtp_bulk_control_event(&n->control, false, now) && !n->count)
        n->gave_up = true;
}

/* Send until the socket is full or there is nothing. False: the connection is to be closed. */
static bool bulk_send(bulk_net *n, bulk_link *l, uint64_t now)
{
    while (!l->full) {
        if (!l->sending) {
            int got = dx_hbtp_bulk_next(&n->bulk, l->number, now, &l->piece);
            if (got <= 0) return got == 0;
            l->sending = true;
            l->sent = 0;
        }
        const dx_hbtp_bulk_piece *p = &l->piece;
        struct iovec v[2];
        struct msghdr m;
        size_t head = l->sent < p->head_size ? p->head_size - l->sent : 0;
        size_t at = l->sent < p->head_size ? 0 : l->sent - p->head_size;
        v[0].iov_base = l->piece.head + (p->head_size - head);
        v[0].iov_len = head;
        v[1].iov_base = (uint8_t *)(uintptr_t)p->data + at;
        v[1].iov_len = p->data_size - at;
        memset(&m, 0, sizeof m);
        m.msg_iov = head ? v : v + 1;
        m.msg_iovlen = head && p->data_size ? 2 : 1;
        ssize_t sent = sendmsg(l->fd, &m, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (sent > 0) l->sent += (size_t)sent;
        l->sending = l->sent < p->head_size + (size_t)p->data_size;
        l->full = l->sending && (sent < 0 || errno == EAGAIN || (size_t)sent < head + v[1].iov_len);
    }
    return true;
}

/* Does what lies in l->in begin a chunk whose data have a place? Then they go there, beginning with what is here. */
static void bulk_place(bulk_net *n, bulk_link *l, uint64_t now)
{
    uint64_t offset;
    uint32_t size;
    if (!n->target || l->in_size < DX_HBTP_BULK_PLACE_SIZE ||
        dx_hbtp_bulk_place(&n->bulk, l->number, l->in, now, &offset, &size) != 1)
        return;
    l->place = n->target + offset;
    l->placed = l->in_size - DX_HBTP_BULK_PLACE_SIZE;
    l->most = size;
    memcpy(l->place, l->in + DX_HBTP_BULK_PLACE_SIZE, l->placed);
}

/* The rest of a chunk to where it belongs, and the beginning of what follows. As recv(), EAGAIN and the end included. */
static ssize_t bulk_receive_placed(bulk_net *n, bulk_link *l, uint64_t now, size_t *want)
{
    uint8_t next[DX_HBTP_BULK_PLACE_SIZE];
    struct iovec v[2];
    uint64_t offset;
    uint32_t size;
    bool wanted = dx_hbtp_bulk_place(&n->bulk, l->number, l->in, now, &offset, &size) == 1;
    v[0].iov_base = wanted ? l->place + l->placed : l->in + DX_HBTP_BULK_PLACE_SIZE; /* came another way: let it go */
    v[0].iov_len = l->most - l->placed;
    v[1].iov_base = next;
    v[1].iov_len = sizeof next;
    *want = v[0].iov_len + sizeof next;
    ssize_t got = readv(l->fd, v, 2);
    if (got <= 0) return got;
    if ((size_t)got < v[0].iov_len) {
        l->placed += (size_t)got;
        return got;
    }
    int error = dx_hbtp_bulk_placed(&n->bulk, l->number, l->in, l->place, now);
    l->in_size = (size_t)got - v[0].iov_len;
    memcpy(l->in, next, l->in_size);
    l->place = NULL;
    if (!error) return got;
    errno = EPROTO;
    return -1;
}

static bool bulk_receive(bulk_net *n, bulk_link *l, uint64_t now)
{
    for (int turns = 0; turns < 16; turns++) {
        /* To the end of a chunk's frame, so that what arrived is whole and need not be moved; or of its head. */
        size_t most = n->bulk.bitmap_ && n->bulk.known ? n->bulk.object.chunk_size + 24 : 4096, want;
        if (n->target && n->bulk.known && l->in_size < DX_HBTP_BULK_PLACE_SIZE) most = DX_HBTP_BULK_PLACE_SIZE;
        ssize_t got;
        if (l->place) {
            got = bulk_receive_placed(n, l, now, &want);
        } else {
            want = (most > l->in_size ? most : n->in_capacity) - l->in_size;
            got = recv(l->fd, l->in + l->in_size, want, 0);
            if (got > 0) l->in_size += (size_t)got;
        }
        if (got == 0) return false;
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        int64_t used = got < 0 ? -1 : l->place ? 0 : dx_hbtp_bulk_feed(&n->bulk, l->number, l->in, l->in_size, now);
        if (used < 0) {
            bulk_send(n, l, now); /* what it says to this */
            return false;
        }
        l->in_size -= (size_t)used;
        if (used && l->in_size) memmove(l->in, l->in + used, l->in_size);
        if (!l->place) bulk_place(n, l, now);
        if ((size_t)got < want) break;
    }
    return true;
}

/* Open as many connections as there should be. */
static void bulk_dial(bulk_net *n, uint64_t now)
{
    if (n->listener >= 0 || n->bulk.state >= DX_HBTP_BULK_DONE) return;
    if (n->adaptive) dx_hbtp_bulk_control_update(&n->control, n->bulk.metrics.bytes_done, now);
    while (n->count < n->control.count && now >= n->control.retry_ns) {
        int fd = bulk_connect(n->host, n->port, &n->options, n->congestion);
        if (fd < 0) {
            n->gave_up = dx_hbtp_bulk_control_event(&n->control, false, now) && !n->count;
            break;
        }
        bulk_add(n, fd, -1, now);
    }
    for (uint32_t i = n->control.count; i < n->count; i++)
        if (n->links[i].number >= 0) dx_hbtp_bulk_retire(&n->bulk, n->links[i].number);
}

static void bulk_accept(bulk_net *n, uint64_t now)
{
    while (n->count < BULK_CONNECTIONS) {
        int fd = accept(n->listener, NULL, NULL);
        if (fd < 0) return;
        int number = dx_hbtp_bulk_open(&n->bulk, now);
        if (number < 0) { /* as many as the transfer was set up for */
            close(fd);
            continue;
        }
        bulk_set_options(fd, &n->options, n->congestion);
        bulk_add(n, fd, number, now);
    }
}

/* One connection after poll. False: it is over. */
static bool bulk_serve(bulk_net *n, bulk_link *l, int events, uint64_t now)
{
    if (l->number < 0) {
        int error = 0;
        socklen_t size = sizeof error;
        if (!events) return now - l->since_ns < BULK_CONNECT_S * (uint64_t)1000000000u;
        if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) return false;
        l->number = dx_hbtp_bulk_open(&n->bulk, now);
        dx_hbtp_bulk_control_event(&n->control, true, now);
    }
    if (events & POLLOUT) l->full = false;
    if ((events & (POLLIN | POLLHUP | POLLERR)) && !bulk_receive(n, l, now)) return false;
    return bulk_send(n, l, now);
}

/* One turn: wait, then move what can be moved. */
static void bulk_turn(bulk_net *n)
{
    struct pollfd p[BULK_CONNECTIONS + 1];
    uint64_t now = bulk_now_ns(), wake = dx_hbtp_bulk_wake(&n->bulk, now);
    uint32_t count = n->count, i;
    int ms = wake == UINT64_MAX ? 100 : wake <= now ? 0 : (int)((wake - now) / 1000000 + 1);
    for (i = 0; i < count; i++) {
        p[i].fd = n->links[i].fd;
        p[i].events = (short)(POLLIN | (n->links[i].full || n->links[i].number < 0 ? POLLOUT : 0));
        p[i].revents = 0;
    }
    p[count].fd = n->listener;
    p[count].events = POLLIN;
    p[count].revents = 0;
    poll(p, count + 1, ms > 100 ? 100 : ms);
    now = bulk_now_ns();
    for (i = count; i-- > 0;) {
        bool was = n->links[i].number >= 0;
        if (!bulk_serve(n, &n->links[i], p[i].revents, now))
            bulk_remove(n, i, !was || n->bulk.state < DX_HBTP_BULK_DONE, now);
    }
    if (p[count].revents) bulk_accept(n, now);
    bulk_dial(n, now);
    if (now - n->looked_ns < 100000000) return;
    n->paths = bulk_look(n);
    n->looked_ns = now;
}

static void bulk_close(bulk_net *n)
{
    while (n->count) bulk_remove(n, n->count - 1, false, bulk_now_ns());
    if (n->listener >= 0) close(n->listener);
    free(n->bulk.desc_.memory);
}

/* desc without memory. connections 0: listen (n->listener), else connect to n->host, n->port. */
static int bulk_start(bulk_net *n, dx_hbtp_bulk_desc *desc, uint32_t connections)
{
    desc->memory_size = dx_hbtp_bulk_memory_size(desc);
    desc->memory = calloc(1, desc->memory_size + 8);
    n->in_capacity = desc->write ? DX_HBTP_BULK_CHUNK_MAX + 8192 : 4096;
    n->control.least = n->adaptive ? 1 : connections;
    n->control.most = n->adaptive ? 64 : connections;
    n->control.count = connections;
    n->control.interval_ns = 1000000000u;
    return dx_hbtp_bulk_init(&n->bulk, desc);
}

#endif /* BULK_NET_H */
