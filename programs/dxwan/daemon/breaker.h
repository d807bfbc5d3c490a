/* A circuit breaker for each destination: after some failures in a row nobody connects to it for a time,
   then one probe does; its success lets all others through. Its caller holds a lock.

       CLOSED --failures in a row--> OPEN --open_ns--> HALF_OPEN, one probe --success--> CLOSED
                                      ^                     '----failure----.
                                      '-------------------------------------'  */
#ifndef WAN_BREAKER_H
#define WAN_BREAKER_H

#include "../../common/common.h"

typedef enum wan_breaker_state { WAN_CLOSED, WAN_HALF_OPEN, WAN_OPEN } wan_breaker_state;

typedef struct wan_breaker {
    uint32_t          failures_max;
    uint64_t          open_ns;
    wan_breaker_state state;
    uint32_t          failures; /* in a row */
    uint64_t          until_ns; /* OPEN: the end of it */
    const void       *probe;    /* HALF_OPEN: who tries; NULL: nobody yet */
    uint64_t          opened;   /* times */
    uint64_t          refused;  /* attempts */
    uint64_t          probes;
} wan_breaker;

/* May `who` try now? The answer true is followed by wan_breaker_report() of the same. */
bool wan_breaker_allows(wan_breaker *b, const void *who, uint64_t now_ns);
/* How the attempt went. A success may be reported before its end, and several times. */
void wan_breaker_report(wan_breaker *b, const void *who, bool success, uint64_t now_ns);
/* The attempt ended without a result, because its owner was asked to end. */
void wan_breaker_leave(wan_breaker *b, const void *who);

#endif
