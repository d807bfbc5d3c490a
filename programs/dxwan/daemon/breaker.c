/* A circuit breaker. See breaker.h. */
#include "breaker.h"

#include <assert.h>

bool wan_breaker_allows(wan_breaker *b, const void *who, uint64_t now_ns)
{
    assert(b->failures_max && who);
    if (b->state == WAN_CLOSED) return true;
    if (b->state == WAN_OPEN && now_ns >= b->until_ns) {
        b->state = WAN_HALF_OPEN;
        b->probe = NULL;
    }
    if (b->state == WAN_HALF_OPEN && (!b->probe || b->probe == who)) {
        b->probes += !b->probe;
        b->probe = who;
        return true;
    }
    b->refused++;
    return false;
}

void wan_breaker_report(wan_breaker *b, const void *who, bool success, uint64_t now_ns)
{
    if (success) {
        b->state = WAN_CLOSED;
        b->failures = 0;
        b->probe = NULL;
        return;
    }
    b->failures++;
    const bool failed_probe = b->state == WAN_HALF_OPEN && b->probe == who;
    if (!failed_probe && (b->state != WAN_CLOSED || b->failures < b->failures_max)) return;
    b->state = WAN_OPEN;
    b->until_ns = now_ns + b->open_ns;
    b->probe = NULL;
    b->opened++;
}

void wan_breaker_leave(wan_breaker *b, const void *who)
{
    if (b->probe == who) b->probe = NULL;
}
