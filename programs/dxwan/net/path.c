/* Socket options and statistics. See path.h. */
#include "path.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum {
    UNSENT_MAX  = 131072, /* bytes in the kernel that were not sent yet */
    KEEPALIVE_S = 30,
    /* Offsets in Linux's struct tcp_info, which the C library's is shorter than */
    BYTES_ACKED   = 120, /* since 4.1 */
    MIN_RTT       = 148, /* since 4.6 */
    DATA_SEGS_OUT = 156,
    INFO_SIZE     = 160
};

/* Without effect on sockets that are not TCP. */
static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

bool wan_path_set_up(int fd, const char *congestion, char active[16])
{
    memset(active, 0, 16);
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
#endif
#ifdef TCP_NOTSENT_LOWAT
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
#endif
#ifdef TCP_CONGESTION
    socklen_t size = 15;
    if (congestion)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
                         (socklen_t)strlen(congestion));
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, active, &size) < 0) active[0] = 0;
#endif
    return !congestion || !strcmp(congestion, active);
}

void wan_path_set_up_or_warn(int fd, const char *congestion, char active[16], bool *warned)
{
    if (wan_path_set_up(fd, congestion, active) || *warned) return;
    *warned = true;
    prog_warn("the system does not offer congestion control '%s'; connections use '%s'", congestion,
              active);
}

void wan_path_set_buffers(int fd, uint64_t send, uint64_t receive)
{
    if (send) set(fd, SOL_SOCKET, SO_SNDBUF, (int)(send < INT_MAX ? send : INT_MAX));
    if (receive) set(fd, SOL_SOCKET, SO_RCVBUF, (int)(receive < INT_MAX ? receive : INT_MAX));
}

void wan_path_set_unsent(int fd, uint32_t bytes)
{
#ifdef TCP_NOTSENT_LOWAT
    if (fd >= 0) set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)(bytes < INT_MAX ? bytes : INT_MAX));
#else
    (void)fd;
    (void)bytes;
#endif
}

void wan_path_add(wan_paths *paths, int fd)
{
#if defined(TCP_INFO) && defined(TCPI_OPT_ECN)
    struct tcp_info i = {0};
    uint8_t all[INFO_SIZE] = {0};
    uint64_t acknowledged;
    uint32_t rtt_min_us, segments;
    socklen_t size = sizeof all;
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, all, &size)) return;
    memcpy(&i, all, sizeof i < sizeof all ? sizeof i : sizeof all);
    memcpy(&acknowledged, all + BYTES_ACKED, sizeof acknowledged); /* what the kernel did not fill is 0 */
    memcpy(&rtt_min_us, all + MIN_RTT, sizeof rtt_min_us);
    memcpy(&segments, all + DATA_SEGS_OUT, sizeof segments);
    paths->segments += segments;
    if (rtt_min_us && rtt_min_us != UINT32_MAX && (!paths->rtt_min_us || rtt_min_us < paths->rtt_min_us))
        paths->rtt_min_us = rtt_min_us;
    if (size < offsetof(struct tcp_info, tcpi_total_retrans) + sizeof i.tcpi_total_retrans) return;
    if (acknowledged) acknowledged += (uint64_t)i.tcpi_sacked * i.tcpi_snd_mss;
    paths->delivered += acknowledged;
    paths->connections++;
    paths->ecn += (i.tcpi_options & TCPI_OPT_ECN) != 0;
    paths->window += (uint64_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss;
    paths->in_flight += (uint64_t)i.tcpi_unacked * i.tcpi_snd_mss;
    paths->retransmitted += i.tcpi_total_retrans;
    paths->rtt_sum_us += i.tcpi_rtt;
    if (i.tcpi_rtt > paths->rtt_us) paths->rtt_us = i.tcpi_rtt;
#else
    (void)paths;
    (void)fd;
#endif
}

static uint64_t growth(uint64_t from, uint64_t to) { return to > from ? to - from : 0; }

wan_paths wan_path_look(wan_paths *last, int fd)
{
    wan_paths now = {0};
    wan_path_add(&now, fd);
    const wan_paths grown = {.delivered = growth(last->delivered, now.delivered),
                             .segments = growth(last->segments, now.segments),
                             .retransmitted = growth(last->retransmitted, now.retransmitted)};
    now.delivered = last->delivered + grown.delivered;
    *last = now;
    return grown;
}

int wan_path_tier(uint64_t rtt_ns, uint64_t bytes_s)
{
    const uint64_t ms = 1000000, gigabit = 125000000; /* bytes */
    if (rtt_ns < 10 * ms && bytes_s > 10 * gigabit) return 1;
    if (rtt_ns < 50 * ms && bytes_s > gigabit) return 2;
    return rtt_ns < 150 * ms ? 3 : 4;
}
