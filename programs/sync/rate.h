/* A limit for a client's download rate: a token bucket. */
#ifndef DXUP_RATE_H
#define DXUP_RATE_H

#include "../common/common.h"

/* Zero except bytes_per_s at the start. One thread. */
typedef struct dxup_rate {
    uint64_t bytes_per_s; /* 0: no limit */
    int64_t  due_ns;      /* when the bytes taken so far are paid for (prog_now_ns()) */
} dxup_rate;

/* A connection begins: limit the kernel's receive buffer, so that the sender notices the limit. */
void dxup_rate_begin(const dxup_rate *r, int fd);
/* Bytes have arrived: sleep until they are due. Nothing is read meanwhile, so flow control
   slows the sender. */
void dxup_rate_use(dxup_rate *r, uint64_t bytes);

#endif
