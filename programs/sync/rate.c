/* See rate.h. due_ns advances by the time that the bytes cost. If it lies in the past, the bucket
   has filled, up to BURST_NS. */
#include "rate.h"

#include "../common/os.h"

enum { BURST_NS = 100000000, BUFFER_SIZE = 128 << 10 };

void dxup_rate_begin(const dxup_rate *r, int fd)
{
    if (r->bytes_per_s) os_limit_receive(fd, BUFFER_SIZE);
}

void dxup_rate_use(dxup_rate *r, uint64_t bytes)
{
    if (!r->bytes_per_s) return;
    const int64_t now_ns = prog_now_ns();
    if (r->due_ns < now_ns - BURST_NS) r->due_ns = now_ns - BURST_NS;
    r->due_ns += (int64_t)((double)bytes * 1e9 / (double)r->bytes_per_s);
    if (r->due_ns > now_ns) os_sleep_ns(r->due_ns - now_ns);
}
