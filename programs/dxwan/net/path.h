/* Per connection: socket options, congestion control, statistics. */
#ifndef WAN_PATH_H
#define WAN_PATH_H

#include "../../common/common.h"

typedef struct wan_paths { /* of several connections; zero it first */
    uint32_t connections;   /* with statistics: 0 where the system has none */
    uint32_t ecn;           /* of these, those that negotiated ECN (RFC 3168) */
    uint32_t rtt_us;        /* the longest, */
    uint32_t rtt_min_us;    /* the shortest that any has seen; 0: not known */
    uint64_t rtt_sum_us;    /* of all connections */
    uint64_t in_flight;     /* bytes that are not acknowledged, */
    uint64_t window;        /* and their limit */
    uint64_t retransmitted; /* segments, */
    uint64_t segments;      /* of all that carried data; 0 where the system does not say it */
    uint64_t delivered;     /* bytes that are acknowledged, also behind a gap; 0 where the system does not say it.
                               Where a segment is lost, the bytes before the gap alone come in steps */
} wan_paths;

/* Set up a connected socket: small frames at once, probes of a quiet peer, and little unsent data in
   the kernel, so that a chunk is given to a connection as late as possible. congestion NULL: the
   system's default. active gets the algorithm that is in use ("": unknown). False: not the one that
   was asked for. */
bool wan_path_set_up(int fd, const char *congestion, char active[16]);
/* The same; the first connection with another algorithm causes a warning and sets *warned. */
void wan_path_set_up_or_warn(int fd, const char *congestion, char active[16], bool *warned);
/* Set the sizes of the buffers in the kernel, bytes; 0: the system's choice, which grows. The system may
   have lower limits. */
void wan_path_set_buffers(int fd, uint64_t send, uint64_t receive);
/* Set how much unsent data the kernel takes: more than a moment's is more to wait for at the end. */
void wan_path_set_unsent(int fd, uint32_t bytes);
/* Add the statistics of a connection. */
void wan_path_add(wan_paths *paths, int fd);
/* Look at a connection again: *last becomes its statistics of now. Returns how much delivered, segments and
   retransmitted have grown; a count that fell has not, and what is delivered stays at its highest, because segments
   are not all of one size. A new connection begins with a *last of zeros. */
wan_paths wan_path_look(wan_paths *last, int fd);

/* The tier of a path that has this round trip and carries this much. 1: a local network, 2: a region, 3: a wide
   area, 4: the world. */
int wan_path_tier(uint64_t rtt_ns, uint64_t bytes_s);

#endif
