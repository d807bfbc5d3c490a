/* What a mirror does, for its daemon: counters that only grow, and the streams as they are now. One
   thread fills it, others read it. */
#ifndef WAN_FIGURES_H
#define WAN_FIGURES_H

#include "../wan.h"

#include <pthread.h>

enum { WAN_LATENCIES = 15 };

/* The reason why a run has failed. */
typedef enum wan_error {
    WAN_NO_ERROR,
    WAN_STREAM_CREATION_FAILED, /* no connection was accepted */
    WAN_STREAM_CLOSED,          /* interrupted, or the other side broke the protocol or gave up */
    WAN_COMPRESSION_FAILED,
    WAN_DECOMPRESSION_FAILED,   /* the other side has other content than was encoded */
    WAN_INVALID_CONFIG,         /* a file or an address that cannot be used */
    WAN_NETWORK_TIMEOUT,
    WAN_CIRCUIT_OPEN,
    WAN_ERRORS
} wan_error;

typedef struct wan_totals { /* all fields are counters, which are added */
    uint64_t streams_opened;
    uint64_t streams_lost;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t state_bytes;  /* of regions that were sent, */
    uint64_t record_bytes; /* and their records */
    uint64_t regions;
    uint64_t deltas;
    uint64_t compared;     /* regions, by hash */
    uint64_t rounds;       /* complete and verified */
    uint64_t latency_us;   /* sum, from a region's message to its answer */
    uint64_t latency[WAN_LATENCIES]; /* answers within 0.1 ms * 2^k; the last: and all others */
} wan_totals;

typedef enum wan_stream_state { WAN_IDLE, WAN_ACTIVE, WAN_SATURATED, WAN_STREAM_OVER } wan_stream_state;

typedef struct wan_stream_figures {
    uint64_t bytes;         /* sent, over all its connections */
    uint64_t window;        /* bytes */
    uint32_t rtt_us;
    uint32_t retransmitted; /* segments of the connection */
    bool     active;        /* connected, and accepted by the receiver */
    wan_stream_state state; /* since the last report */
} wan_stream_figures;

typedef struct wan_figures {
    pthread_mutex_t    lock;
    wan_totals         totals;
    uint64_t           errors[WAN_ERRORS];
    wan_error          error;   /* of the last run */
    bool               running;
    uint32_t           wanted;  /* streams */
    uint32_t           active;
    int32_t            level;   /* of compression */
    uint64_t           goodput; /* bytes a second that were acknowledged, of the last interval */
    wan_stream_figures streams[WAN_STREAMS_MAX];
    uint64_t           interval_ns; /* between two reports */
    void             (*verified)(void *user); /* a round is complete; NULL: nobody is told */
    void             (*connected)(void *user, int32_t reason); /* 0; or -errno: to connect failed */
    void              *user;
} wan_figures;

/* "NETWORK_TIMEOUT" and so on. */
const char *wan_error_name(wan_error error);
/* 0..14: the class of a latency. */
unsigned wan_latency_class(uint64_t us);
/* Add the counts since `told`, and update `told`. The caller holds the lock. */
void wan_totals_add(wan_totals *sum, const wan_totals *now, wan_totals *told);

#endif
