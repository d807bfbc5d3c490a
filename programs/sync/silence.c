/* See silence.h. */
#include "silence.h"

#include <assert.h>

bool dxup_silence_tick(dxup_silence *s, uint64_t received)
{
    assert(s->limit_s);
    if (received != s->received) s->ticks = 0;
    else s->ticks++;
    s->received = received;
    return s->ticks >= s->limit_s;
}

uint64_t dxup_silence_ping_ns(unsigned limit_s)
{
    assert(limit_s && limit_s <= DXUP_SILENCE_MAX_S);
    return (uint64_t)limit_s * 1000000000 / 2;
}

int dxup_silence_fail(const char *address, unsigned limit_s, const char *then)
{
    return prog_fail(PROG_NETWORK, "%s sent nothing for %u s: the server is stopped, or the network is "
                                   "down; when 'dxup ls %s' answers, pull again: %s", address, limit_s,
                     address, then);
}
