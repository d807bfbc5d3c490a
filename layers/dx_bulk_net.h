/*  dx_bulk_net.h - v0.3.0 - the transfers of dx_bulk.h on TCP sockets: one poll loop for both sides
                  - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file of a POSIX program:

        #define DX_BULK_NET_IMPLEMENTATION    (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_bulk_net.h"

    and include it elsewhere without the define. C99, best with POSIX visible (-std=gnu99, or
    _GNU_SOURCE before the first include): strict C99 hides the monotonic clock and the kernel's
    statistics of connections. Uses extensions of Linux where present. Builds as C++11. It stands on
    dx_bulk.h, which it includes unless that was included before; with the first of the two defines,
    define the implementations of dx_bulk.h and dx_hbtp.h too. A program with an event loop of its
    own uses dx_bulk.h and reads this file as an example.

    QUICK EXAMPLE

        static dx_bulk_net net;               // of a receiver; a sender sets host and port
        dx_bulk_desc desc;                    // as for dx_bulk_init(), without memory
        memset(&desc, 0, sizeof desc);
        memset(&net, 0, sizeof net);
        net.listener = dx_bulk_net_listen(0x7f000001, &net.port);
        if (net.listener < 0) return 1;
        if (dx_bulk_net_start(&net, &desc, 0) != DX_BULK_NET_EINVAL) return 1; // no write() was set
        dx_bulk_net_close(&net);

    CONTENTS (search >>)  config  errors  sockets  loop  platform  names  options  addresses  links
                          sending  receiving  connections  turns  license

    GUARANTEES  No globals; no recursion; nothing is printed. No SIGPIPE.
    LIMITS      256 connections a transfer; IPv4; an object must be in memory to be sent, or to be
                received in place (memory returned by read() must stay valid until
                dx_bulk_net_close()). Memory for connections comes from malloc.
    SIZE        code: x86-64 4,997; objects: dx_bulk_net 47,816
    THREADS     One at a time for each transfer; transfers share nothing.
    CONFIG      DX_BULK_NET_STATIC, DX_BULK_NET_API, DX_BULK_NET_ASSERT(c), DX_BULK_NET_MEMCPY,
                DX_BULK_NET_MEMMOVE, DX_BULK_NET_MEMSET
    ERRORS      dx_bulk_net_error: 0 = ok, negative = reason, with dx_bulk.h's values; see errno
    OWNERSHIP   Sockets belong to the transfer from dx_bulk_net_start() to dx_bulk_net_close().
    FORMAT      docs/formats/hbtp.md, section 10, normative
*/
#ifndef DX_BULK_NET_H
#define DX_BULK_NET_H

#define DX_BULK_NET_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_BULK_H
  #include "dx_bulk.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_BULK_NET_API
  #ifdef DX_BULK_NET_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_BULK_NET_API static __attribute__((unused))
    #else
      #define DX_BULK_NET_API static
    #endif
  #else
    #define DX_BULK_NET_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_BULK_NET_ERRORS(X)                                        \
    X(0, OK)                                                         \
    X(-1, EINVAL) /* an argument breaks its documented contract */   \
    X(-2, ENOMEM) /* no memory */                                    \
    X(-7, ESYS)   /* a system call failed; see errno */

typedef enum dx_bulk_net_error {
#define DX_BULK_NET_P_ERROR_IS(value, constant) DX_BULK_NET_##constant = value,
    DX_BULK_NET_ERRORS(DX_BULK_NET_P_ERROR_IS)
    DX_BULK_NET_CONNECTIONS_MAX = 256
} dx_bulk_net_error;

/* "DX_BULK_NET_ESYS" and so on; "unknown error" for anything else. */
DX_BULK_NET_API const char *dx_bulk_net_error_name(int error);

/* >>sockets ------------------------------------------------------------ */
typedef struct dx_bulk_net_options { /* zero: the system's defaults */
    const char *congestion;          /* "bbr", "cubic", "reno" */
    int         buffer_size; /* SO_SNDBUF and SO_RCVBUF; setting it disables autotuning */
} dx_bulk_net_options;

typedef struct dx_bulk_net_paths { /* kernel statistics, summed over connections */
    uint32_t connections;
    uint32_t ecn;           /* connections that negotiated ECN (the system's setting, RFC 3168) */
    uint64_t window;        /* max unacknowledged bytes ... */
    uint64_t in_flight;     /* ... and current ones; in_flight / window is the utilisation */
    uint64_t retransmitted; /* segments */
    uint32_t rtt_us;        /* the longest */
} dx_bulk_net_paths;

/* Nanoseconds of a monotonic clock (if POSIX is visible, see above). */
DX_BULK_NET_API uint64_t dx_bulk_net_now_ns(void);
/* No delay, keepalive after 30 s, little unsent data in the kernel (so that chunks are assigned to
   connections as late as possible), non-blocking. *congestion gets the active algorithm. False: not
   the requested one. */
DX_BULK_NET_API bool     dx_bulk_net_set_options(int fd, const dx_bulk_net_options *options,
                                                 char congestion[16]);
/* Add a connection's statistics to *paths. False: the system does not provide them. */
DX_BULK_NET_API bool     dx_bulk_net_read_path(int fd, dx_bulk_net_paths *paths);
/* A listening socket; *port 0 is set to the chosen one. host is a number: 0x7f000001 is 127.0.0.1.
   ESYS. */
DX_BULK_NET_API int      dx_bulk_net_listen(uint32_t host, uint16_t *port);
/* Begin to connect: poll for writing, then ask SO_ERROR. Returns the socket; ESYS. */
DX_BULK_NET_API int      dx_bulk_net_connect(uint32_t host, uint16_t port,
                                             const dx_bulk_net_options *options,
                                             char congestion[16]);

/* >>loop --------------------------------------------------------------- */
typedef struct dx_bulk_net_link {
    int           fd;
    int           number;     /* in the transfer; -1: not connected yet */
    uint64_t      since_ns_;  /* when it was opened */
    uint8_t      *in;         /* received bytes that are not consumed */
    size_t        in_size;
    uint8_t      *place;      /* where the data of the chunk in `in` go; NULL: unknown yet */
    size_t        placed;     /* bytes of them received ... */
    size_t        place_size; /* ... and their total */
    dx_bulk_piece piece;      /* being sent */
    size_t        sent;       /* of it */
    bool          sending;
    bool          full;       /* the socket accepts no more */
} dx_bulk_net_link;

typedef struct dx_bulk_net {       /* zero it, then set listener, or host and port, and options */
    int                 listener;  /* of the accepting side; else start sets -1 */
    uint32_t            host;      /* of the connecting side */
    uint16_t            port;
    dx_bulk_net_options options;
    bool                adaptive;  /* let the controller choose the number of connections; else that
                                      number is constant */
    uint8_t            *target;    /* receiver: the object's memory; NULL: use write() */
    dx_bulk             bulk;      /* to be read: state, error, metrics */
    dx_bulk_control     control;   /* of the connecting side */
    dx_bulk_net_link    links[DX_BULK_NET_CONNECTIONS_MAX];
    uint32_t            count;     /* links in use: links[0..count) */
    char                congestion[16];
    bool                gave_up;   /* connecting side: no connections left, and retries failed */
    dx_bulk_net_paths   paths;     /* of all connections, updated every 100 ms */
    uint64_t            looked_ns_;
    uint64_t            deaf_ns_;  /* accept again after this time: accept() failed */
    void               *memory_;   /* of the transfer */
    size_t              in_capacity_;
    bool                receives_;
} dx_bulk_net;

/* desc without memory; its read() differs from that of dx_bulk.h: pieces of all connections are in
   flight at once, so the memory that it returns must stay valid until dx_bulk_net_close(), like a
   mapped file. connections 0: listen (net->listener), else connect to host and port with that many.
   ENOMEM; EINVAL: as dx_bulk_init(). */
DX_BULK_NET_API int  dx_bulk_net_start(dx_bulk_net *n, dx_bulk_desc *desc, uint32_t connections);
/* Connecting side: open missing connections. A turn ends with it. */
DX_BULK_NET_API void dx_bulk_net_dial(dx_bulk_net *n, uint64_t now_ns);
/* One iteration: wait, at most 100 ms, then send and receive. Call it until bulk.state is DONE or
   FAILED, or gave_up is set; a receiver calls dx_bulk_verify() in between, when it is WHOLE. */
DX_BULK_NET_API void dx_bulk_net_turn(dx_bulk_net *n);
/* Send on all connections without waiting. */
DX_BULK_NET_API void dx_bulk_net_flush(dx_bulk_net *n);
/* Statistics of all connections of a transfer, now. */
DX_BULK_NET_API dx_bulk_net_paths dx_bulk_net_read_paths(const dx_bulk_net *n);
/* Close everything. Safe after a failed start. */
DX_BULK_NET_API void dx_bulk_net_close(dx_bulk_net *n);

#ifdef __cplusplus
}
#endif
#endif /* DX_BULK_NET_H */

#if (defined(DX_BULK_NET_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_BULK_NET_IMPLEMENTED)
#define DX_BULK_NET_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_BULK_NET_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_BULK_NET_ASSERT(c) assert(c)
  #else
    #define DX_BULK_NET_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_BULK_NET_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_BULK_NET_P_MEM(name) name
#endif
#ifndef DX_BULK_NET_MEMCPY
  #define DX_BULK_NET_MEMCPY DX_BULK_NET_P_MEM(memcpy)
#endif
#ifndef DX_BULK_NET_MEMMOVE
  #define DX_BULK_NET_MEMMOVE DX_BULK_NET_P_MEM(memmove)
#endif
#ifndef DX_BULK_NET_MEMSET
  #define DX_BULK_NET_MEMSET DX_BULK_NET_P_MEM(memset)
#endif

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
  #define DX_BULK_NET_P_NOSIGNAL 0
#else
  #define DX_BULK_NET_P_NOSIGNAL MSG_NOSIGNAL
#endif

#define DX_BULK_NET_P_SECOND 1000000000u /* ns */

enum {
    DX_BULK_NET_P_CONNECT_S   = 30,        /* timeout of a connect */
    DX_BULK_NET_P_LOOK_NS     = 100000000, /* between two updates of the statistics */
    DX_BULK_NET_P_TURN_MS     = 100,       /* max wait of a turn */
    DX_BULK_NET_P_RECEIVES    = 16,        /* max receives in a row on one connection */
    DX_BULK_NET_P_SMALL       = 4096,      /* input buffer for control frames only */
    DX_BULK_NET_P_HEADS       = 8192       /* room besides one chunk in a receiver's buffer */
};

/* >>names -------------------------------------------------------------- */
#define DX_BULK_NET_P_ERROR_NAME(value, constant) \
    case value: return "DX_BULK_NET_" #constant;

DX_BULK_NET_API const char *dx_bulk_net_error_name(int error)
{
    switch (error) {
        DX_BULK_NET_ERRORS(DX_BULK_NET_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>options ------------------------------------------------------------ */
DX_BULK_NET_API uint64_t dx_bulk_net_now_ns(void)
{
#ifdef CLOCK_MONOTONIC
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * DX_BULK_NET_P_SECOND + (uint64_t)t.tv_nsec;
#else /* a strict -std=c99 hides it: use the settable clock */
    struct timeval t;
    gettimeofday(&t, NULL);
    return (uint64_t)t.tv_sec * DX_BULK_NET_P_SECOND + (uint64_t)t.tv_usec * 1000;
#endif
}

static void dx_bulk_net_p_set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value); /* best effort */
}

/* Make it non-blocking and close-on-exec. */
static void dx_bulk_net_p_prepare(int fd)
{
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Request an algorithm, and read back the active one. */
static void dx_bulk_net_p_set_congestion(int fd, const char *wanted, char congestion[16])
{
#ifdef TCP_CONGESTION
    socklen_t size = 16;
    if (wanted)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, wanted, (socklen_t)strlen(wanted));
    (void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &size);
    congestion[15] = 0;
#else
    (void)fd;
    (void)wanted;
    (void)congestion;
#endif
}

DX_BULK_NET_API bool dx_bulk_net_set_options(int fd, const dx_bulk_net_options *options,
                                             char congestion[16])
{
    dx_bulk_net_p_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    dx_bulk_net_p_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (options->buffer_size) {
        dx_bulk_net_p_set(fd, SOL_SOCKET, SO_SNDBUF, options->buffer_size);
        dx_bulk_net_p_set(fd, SOL_SOCKET, SO_RCVBUF, options->buffer_size);
    }
    dx_bulk_net_p_prepare(fd);
#ifdef TCP_KEEPIDLE
    dx_bulk_net_p_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
#endif
#ifdef TCP_NOTSENT_LOWAT
    dx_bulk_net_p_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 131072);
#endif
    DX_BULK_NET_MEMSET(congestion, 0, 16);
    dx_bulk_net_p_set_congestion(fd, options->congestion, congestion);
    return !options->congestion || strcmp(options->congestion, congestion) == 0;
}

DX_BULK_NET_API bool dx_bulk_net_read_path(int fd, dx_bulk_net_paths *paths)
{
#if defined(TCP_INFO) && defined(TCPI_OPT_ECN)
    struct tcp_info i;
    socklen_t size = sizeof i;
    DX_BULK_NET_MEMSET(&i, 0, sizeof i);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &size)) return false;
    if (size < offsetof(struct tcp_info, tcpi_total_retrans) + sizeof i.tcpi_total_retrans)
        return false;
    paths->connections++;
    paths->ecn += (i.tcpi_options & TCPI_OPT_ECN) != 0;
    paths->window += (uint64_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss;
    paths->in_flight += (uint64_t)i.tcpi_unacked * i.tcpi_snd_mss;
    paths->retransmitted += i.tcpi_total_retrans;
    if (i.tcpi_rtt > paths->rtt_us) paths->rtt_us = i.tcpi_rtt;
    return true;
#else
    (void)fd;
    (void)paths;
    return false;
#endif
}

/* >>addresses ---------------------------------------------------------- */
static struct sockaddr_in dx_bulk_net_p_address(uint32_t host, uint16_t port)
{
    struct sockaddr_in a;
    DX_BULK_NET_MEMSET(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(host);
    a.sin_port = htons(port);
    return a;
}

DX_BULK_NET_API int dx_bulk_net_listen(uint32_t host, uint16_t *port)
{
    struct sockaddr_in a = dx_bulk_net_p_address(host, *port);
    socklen_t size = sizeof a;
    const int backlog = 512;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return DX_BULK_NET_ESYS;
    dx_bulk_net_p_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, backlog) ||
        getsockname(fd, (struct sockaddr *)&a, &size)) {
        close(fd);
        return DX_BULK_NET_ESYS;
    }
    *port = ntohs(a.sin_port);
    dx_bulk_net_p_prepare(fd);
    return fd;
}

DX_BULK_NET_API int dx_bulk_net_connect(uint32_t host, uint16_t port,
                                        const dx_bulk_net_options *options, char congestion[16])
{
    struct sockaddr_in a = dx_bulk_net_p_address(host, port);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    DX_BULK_NET_ASSERT(options && port);
    if (fd < 0) return DX_BULK_NET_ESYS;
    (void)dx_bulk_net_set_options(fd, options, congestion);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        close(fd);
        return DX_BULK_NET_ESYS;
    }
    return fd;
}

/* >>links ---------------------------------------------------------------
   Links are contiguous, so that poll() gets them unchanged; a removed one is replaced by the last:

       links    | 0 | 1 | 2 | 3 |              remove 1    | 0 | 3 | 2 |
       pollfd   | 0 | 1 | 2 | 3 | listener |

   A turn visits them from the last to the first, so that a moved one was visited already. */

/* Owns the socket in any case. False: out of memory, and it is closed. */
static bool dx_bulk_net_p_add(dx_bulk_net *n, int fd, int number, uint64_t now_ns)
{
    dx_bulk_net_link *l;
    uint8_t *const in = (uint8_t *)malloc(n->in_capacity_);
    DX_BULK_NET_ASSERT(n->count < DX_BULK_NET_CONNECTIONS_MAX);
    if (!in) {
        if (number >= 0) (void)dx_bulk_drop(&n->bulk, number);
        close(fd);
        return false;
    }
    l = &n->links[n->count++];
    DX_BULK_NET_MEMSET(l, 0, sizeof *l);
    l->fd = fd;
    l->number = number;
    l->since_ns_ = now_ns;
    l->in = in;
    return true;
}

DX_BULK_NET_API dx_bulk_net_paths dx_bulk_net_read_paths(const dx_bulk_net *n)
{
    dx_bulk_net_paths all;
    uint32_t i;
    DX_BULK_NET_MEMSET(&all, 0, sizeof all);
    for (i = 0; i < n->count; i++) (void)dx_bulk_net_read_path(n->links[i].fd, &all);
    return all;
}

/* A connection could not be opened or was lost. With none left after some tries, give up. */
static void dx_bulk_net_p_failed(dx_bulk_net *n, uint64_t now_ns)
{
    DX_BULK_NET_ASSERT(n->count <= DX_BULK_NET_CONNECTIONS_MAX);
    if (n->listener >= 0) return;
    if (dx_bulk_control_event(&n->control, false, now_ns) && !n->count) n->gave_up = true;
}

static void dx_bulk_net_p_remove(dx_bulk_net *n, uint32_t i, bool failed, uint64_t now_ns)
{
    dx_bulk_net_link *const l = &n->links[i];
    DX_BULK_NET_ASSERT(i < n->count);
    if (l->number >= 0) (void)dx_bulk_drop(&n->bulk, l->number);
    close(l->fd);
    free(l->in);
    n->count--;
    *l = n->links[n->count];
    if (failed) dx_bulk_net_p_failed(n, now_ns);
}

/* >>sending -------------------------------------------------------------
   A piece is sent with one gathering write, repeated after partial writes:

       | head, in the link    | data, at read()'s address |
                 ^ sent: the next call starts here */

/* Send the rest of the piece. False: close the connection. */
static bool dx_bulk_net_p_send_piece(dx_bulk_net_link *l)
{
    const dx_bulk_piece *const p = &l->piece;
    const size_t size = (size_t)p->head_size + p->data_size;
    const size_t head_sent = l->sent < p->head_size ? l->sent : p->head_size;
    const size_t data_sent = l->sent - head_sent;
    struct iovec parts[2];
    struct msghdr message;
    ssize_t got;
    DX_BULK_NET_ASSERT(l->sent < size);
    parts[0].iov_base = l->piece.head + head_sent;
    parts[0].iov_len = p->head_size - head_sent;
    parts[1].iov_base = (uint8_t *)(uintptr_t)p->data + data_sent;
    parts[1].iov_len = p->data_size - data_sent;
    DX_BULK_NET_MEMSET(&message, 0, sizeof message);
    message.msg_iov = parts[0].iov_len ? parts : parts + 1;
    message.msg_iovlen = parts[0].iov_len && p->data_size ? 2 : 1;
    got = sendmsg(l->fd, &message, DX_BULK_NET_P_NOSIGNAL);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (got > 0) l->sent += (size_t)got;
    l->sending = l->sent < size;
    l->full = l->sending;
    return true;
}

/* Send until the socket is full or there is no more data. False: close the connection. */
static bool dx_bulk_net_p_send(dx_bulk_net *n, dx_bulk_net_link *l, uint64_t now_ns)
{
    while (!l->full) {
        if (!l->sending) {
            const int got = dx_bulk_next(&n->bulk, l->number, now_ns, &l->piece);
            if (got <= 0) return got == 0;
            l->sending = true;
            l->sent = 0;
            DX_BULK_NET_ASSERT(l->piece.head_size > 0);
        }
        if (!dx_bulk_net_p_send_piece(l)) return false;
    }
    return true;
}

DX_BULK_NET_API void dx_bulk_net_flush(dx_bulk_net *n)
{
    const uint64_t now_ns = dx_bulk_net_now_ns();
    uint32_t i;
    for (i = 0; i < n->count; i++) (void)dx_bulk_net_p_send(n, &n->links[i], now_ns);
}

/* >>receiving -----------------------------------------------------------
   A receiver with the object in memory receives data in place. First it receives just the head of a
   chunk; then the rest of its data and the next head in one call:

       socket    | head | data of chunk 7 ............. | head | data of chunk 9 ...
       to          in     target + offset of chunk 7      next, then in */

/* Does l->in begin with a chunk whose data have a place? Then receive them there, starting with the
   bytes that are in l->in. */
static void dx_bulk_net_p_place(dx_bulk_net *n, dx_bulk_net_link *l, uint64_t now_ns)
{
    uint64_t offset;
    uint32_t size;
    if (!n->target || l->in_size < DX_BULK_PLACE_SIZE) return;
    if (dx_bulk_place(&n->bulk, l->number, l->in, now_ns, &offset, &size) != 1) return;
    l->place = n->target + offset;
    l->placed = l->in_size - DX_BULK_PLACE_SIZE;
    l->place_size = size;
    DX_BULK_NET_ASSERT(l->placed <= l->place_size);
    DX_BULK_NET_MEMCPY(l->place, l->in + DX_BULK_PLACE_SIZE, l->placed);
}

/* Receive the rest of a chunk in place, and the bytes after it into l->in. Returns as recv(),
   EAGAIN and the end included. *want: bytes of room. */
static ssize_t dx_bulk_net_p_receive_placed(dx_bulk_net *n, dx_bulk_net_link *l, uint64_t now_ns,
                                            size_t *want)
{
    uint8_t next[DX_BULK_PLACE_SIZE];
    struct iovec parts[2];
    uint64_t offset;
    uint32_t size;
    ssize_t got;
    int error;
    const bool wanted = dx_bulk_place(&n->bulk, l->number, l->in, now_ns, &offset, &size) == 1;
    /* The chunk has arrived on another connection: discard its data. */
    parts[0].iov_base = wanted ? l->place + l->placed : l->in + DX_BULK_PLACE_SIZE;
    DX_BULK_NET_ASSERT(l->place && l->placed <= l->place_size);
    parts[0].iov_len = l->place_size - l->placed;
    parts[1].iov_base = next;
    parts[1].iov_len = sizeof next;
    *want = parts[0].iov_len + sizeof next;
    got = readv(l->fd, parts, 2);
    if (got <= 0) return got;
    if ((size_t)got < parts[0].iov_len) {
        l->placed += (size_t)got;
        return got;
    }
    error = dx_bulk_placed(&n->bulk, l->number, l->in, l->place, now_ns);
    l->in_size = (size_t)got - parts[0].iov_len;
    DX_BULK_NET_MEMCPY(l->in, next, l->in_size);
    l->place = NULL;
    if (!error) return got;
    errno = EPROTO;
    return -1;
}

/* How much to receive into l->in: to the end of a chunk's frame, so that it is complete and need
   not be moved; or only its head, if the data have a place of their own. */
static size_t dx_bulk_net_p_want(const dx_bulk_net *n, const dx_bulk_net_link *l)
{
    size_t frame_size = DX_BULK_NET_P_SMALL;
    if (n->receives_ && n->bulk.known) {
        frame_size = (size_t)n->bulk.object.chunk_size + DX_BULK_PLACE_SIZE;
        if (n->target && l->in_size < DX_BULK_PLACE_SIZE) frame_size = DX_BULK_PLACE_SIZE;
    }
    if (frame_size <= l->in_size) frame_size = n->in_capacity_;
    DX_BULK_NET_ASSERT(l->in_size < frame_size && frame_size <= n->in_capacity_);
    return frame_size - l->in_size;
}

/* Receive once, and handle the input. 1: there may be more; 0: not now; -1: close. */
static int dx_bulk_net_p_receive_once(dx_bulk_net *n, dx_bulk_net_link *l, uint64_t now_ns)
{
    size_t want;
    ssize_t got;
    int64_t used = 0;
    if (l->place) {
        got = dx_bulk_net_p_receive_placed(n, l, now_ns, &want);
    } else {
        want = dx_bulk_net_p_want(n, l);
        got = recv(l->fd, l->in + l->in_size, want, 0);
        if (got > 0) l->in_size += (size_t)got;
    }
    if (got == 0) return -1;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got < 0) used = -1;
    else if (!l->place) used = dx_bulk_feed(&n->bulk, l->number, l->in, l->in_size, now_ns);
    if (used < 0) {
        (void)dx_bulk_net_p_send(n, l, now_ns); /* its response */
        return -1;
    }
    DX_BULK_NET_ASSERT((uint64_t)used <= l->in_size);
    l->in_size -= (size_t)used;
    if (used && l->in_size) DX_BULK_NET_MEMMOVE(l->in, l->in + used, l->in_size);
    if (!l->place) dx_bulk_net_p_place(n, l, now_ns);
    return (size_t)got == want;
}

/* False: close the connection. */
static bool dx_bulk_net_p_receive(dx_bulk_net *n, dx_bulk_net_link *l, uint64_t now_ns)
{
    int more = 1;
    int turns;
    for (turns = 0; more > 0 && turns < DX_BULK_NET_P_RECEIVES; turns++)
        more = dx_bulk_net_p_receive_once(n, l, now_ns);
    return more >= 0;
}

/* >>connections -------------------------------------------------------- */
DX_BULK_NET_API void dx_bulk_net_dial(dx_bulk_net *n, uint64_t now_ns)
{
    uint32_t i;
    if (n->listener >= 0 || n->bulk.state >= DX_BULK_DONE) return;
    if (n->adaptive)
        (void)dx_bulk_control_update(&n->control, n->bulk.metrics.bytes_done, now_ns);
    while (n->count < n->control.count && now_ns >= n->control.retry_deadline_ns) {
        const int fd = dx_bulk_net_connect(n->host, n->port, &n->options, n->congestion);
        if (fd < 0 || !dx_bulk_net_p_add(n, fd, -1, now_ns)) {
            dx_bulk_net_p_failed(n, now_ns);
            break;
        }
    }
    for (i = n->control.count; i < n->count; i++)
        if (n->links[i].number >= 0) (void)dx_bulk_retire(&n->bulk, n->links[i].number);
}

static void dx_bulk_net_p_accept(dx_bulk_net *n, uint64_t now_ns)
{
    while (n->count < DX_BULK_NET_CONNECTIONS_MAX) {
        const int fd = accept(n->listener, NULL, NULL);
        int number;
        if (fd < 0) {
            /* Without a descriptor it stays in the queue, and poll() would return at once. */
            if (errno != EAGAIN && errno != EINTR) n->deaf_ns_ = now_ns + DX_BULK_NET_P_LOOK_NS;
            return;
        }
        number = dx_bulk_open(&n->bulk, now_ns);
        if (number < 0) { /* the transfer's limit is reached */
            close(fd);
            continue;
        }
        (void)dx_bulk_net_set_options(fd, &n->options, n->congestion);
        (void)dx_bulk_net_p_add(n, fd, number, now_ns);
    }
}

/* Would a queued connection be accepted now? */
static bool dx_bulk_net_p_accepts(const dx_bulk_net *n)
{
    return n->count < DX_BULK_NET_CONNECTIONS_MAX && dx_bulk_net_now_ns() >= n->deaf_ns_;
}

/* Check a pending connect. False: it failed, or timed out. */
static bool dx_bulk_net_p_connected(dx_bulk_net *n, dx_bulk_net_link *l, int events,
                                    uint64_t now_ns)
{
    int error = 0;
    socklen_t size = sizeof error;
    DX_BULK_NET_ASSERT(l->number < 0);
    if (!events)
        return now_ns - l->since_ns_ < DX_BULK_NET_P_CONNECT_S * (uint64_t)DX_BULK_NET_P_SECOND;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) return false;
    l->number = dx_bulk_open(&n->bulk, now_ns);
    (void)dx_bulk_control_event(&n->control, true, now_ns);
    return l->number >= 0;
}

/* Handle one connection after poll. False: it has ended. */
static bool dx_bulk_net_p_serve(dx_bulk_net *n, dx_bulk_net_link *l, int events, uint64_t now_ns)
{
    if (l->number < 0 && !dx_bulk_net_p_connected(n, l, events, now_ns)) return false;
    if (l->number < 0) return true;
    if (events & POLLOUT) l->full = false;
    if ((events & (POLLIN | POLLHUP | POLLERR)) && !dx_bulk_net_p_receive(n, l, now_ns))
        return false;
    return dx_bulk_net_p_send(n, l, now_ns);
}

/* >>turns -------------------------------------------------------------- */
/* Timeout of poll() in milliseconds. */
static int dx_bulk_net_p_patience_ms(const dx_bulk_net *n)
{
    const uint64_t now_ns = dx_bulk_net_now_ns();
    const uint64_t wake_ns = dx_bulk_wake(&n->bulk, now_ns);
    uint64_t ms;
    if (wake_ns <= now_ns) return 0;
    ms = (wake_ns - now_ns) / 1000000;
    return ms < DX_BULK_NET_P_TURN_MS ? (int)ms + 1 : DX_BULK_NET_P_TURN_MS;
}

DX_BULK_NET_API void dx_bulk_net_turn(dx_bulk_net *n)
{
    struct pollfd p[DX_BULK_NET_CONNECTIONS_MAX + 1];
    const uint32_t count = n->count;
    uint64_t now_ns;
    uint32_t i;
    DX_BULK_NET_ASSERT(count <= DX_BULK_NET_CONNECTIONS_MAX);
    for (i = 0; i < count; i++) {
        const dx_bulk_net_link *const l = &n->links[i];
        p[i].fd = l->fd;
        p[i].events = l->full || l->number < 0 ? POLLIN | POLLOUT : POLLIN;
        p[i].revents = 0;
    }
    p[count].fd = dx_bulk_net_p_accepts(n) ? n->listener : -1; /* poll() ignores -1 */
    p[count].events = POLLIN;
    p[count].revents = 0;
    (void)poll(p, count + 1, dx_bulk_net_p_patience_ms(n));
    now_ns = dx_bulk_net_now_ns();
    for (i = count; i-- > 0;) {
        const bool was_open = n->links[i].number >= 0;
        if (dx_bulk_net_p_serve(n, &n->links[i], p[i].revents, now_ns)) continue;
        dx_bulk_net_p_remove(n, i, !was_open || n->bulk.state < DX_BULK_DONE, now_ns);
    }
    if (p[count].revents) dx_bulk_net_p_accept(n, now_ns);
    dx_bulk_net_dial(n, now_ns);
    if (now_ns - n->looked_ns_ < DX_BULK_NET_P_LOOK_NS) return;
    n->paths = dx_bulk_net_read_paths(n);
    n->looked_ns_ = now_ns;
}

DX_BULK_NET_API void dx_bulk_net_close(dx_bulk_net *n)
{
    while (n->count) dx_bulk_net_p_remove(n, n->count - 1, false, dx_bulk_net_now_ns());
    if (n->listener >= 0) close(n->listener);
    n->listener = -1;
    free(n->memory_);
    n->memory_ = NULL;
}

DX_BULK_NET_API int dx_bulk_net_start(dx_bulk_net *n, dx_bulk_desc *desc, uint32_t connections)
{
    const size_t size = dx_bulk_memory_size(desc);
    if (!size) return DX_BULK_NET_EINVAL;
    n->memory_ = malloc(size);
    if (!n->memory_) return DX_BULK_NET_ENOMEM;
    desc->memory = n->memory_;
    desc->memory_size = size;
    n->receives_ = desc->write != NULL;
    if (connections) n->listener = -1;
    n->in_capacity_ = DX_BULK_NET_P_SMALL;
    if (n->receives_) n->in_capacity_ = (size_t)DX_BULK_CHUNK_SIZE_MAX + DX_BULK_NET_P_HEADS;
    n->control.count_min = n->adaptive ? 1 : connections;
    n->control.count_max = n->adaptive ? 64 : connections;
    n->control.count = connections;
    n->control.interval_ns = DX_BULK_NET_P_SECOND;
    return dx_bulk_init(&n->bulk, desc);
}

#endif /* DX_BULK_NET_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
