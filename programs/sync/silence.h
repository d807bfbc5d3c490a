/* How long a client waits for a server that sends nothing at all, over all its connections. A
   server that is alive answers Pings, so it is never silent. */
#ifndef DXUP_SILENCE_H
#define DXUP_SILENCE_H

#include "../common/common.h"

/* A server closes a connection from which nothing comes for a minute: longer waits have no use. */
enum { DXUP_SILENCE_MAX_S = 60 };

/* Zero, except limit_s. Seconds are counted in ticks: time in which this process was stopped, or
   slept for --limit-rate, is not the server's. */
typedef struct dxup_silence {
    unsigned limit_s;
    unsigned ticks;    /* seconds without a byte */
    uint64_t received; /* bytes at the last tick */
} dxup_silence;

/* Once a second, with the number of bytes received. True: the limit is reached. */
bool     dxup_silence_tick(dxup_silence *s, uint64_t received);
/* The silence after which a Ping is sent; after as long again, the connection is lost. */
uint64_t dxup_silence_ping_ns(unsigned limit_s);
/* Print that, and return PROG_NETWORK. then: the state of the destination, or how to resume. */
int      dxup_silence_fail(const char *address, unsigned limit_s, const char *then);

#endif
