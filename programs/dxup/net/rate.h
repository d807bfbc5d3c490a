/* A limit on the bytes that a client takes from the network: a token bucket. */
#ifndef DXUP_RATE_H
#define DXUP_RATE_H

#include "../../common/common.h"

/* Zero but for bytes_per_s at the start; of one thread. */
typedef struct dxup_rate {
    uint64_t bytes_per_s; /* 0: no limit */
    int64_t  due_ns;      /* when what was taken so far has had its time (prog_now_ns()) */
} dxup_rate;

/* A connection begins: the system is to hold back no more than a little of what is not taken. */
void dxup_rate_begin(const dxup_rate *r, int fd);
/* So many bytes have come: wait until they were due. Meanwhile nothing is read, so the sender waits,
   too. */
void dxup_rate_take(dxup_rate *r, uint64_t bytes);

#endif
