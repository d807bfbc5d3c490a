/* Counters of a mirror. See figures.h. */
#include "figures.h"

#include <string.h>

const char *wan_error_name(wan_error error)
{
    static const char *const names[WAN_ERRORS] = {
        [WAN_NO_ERROR] = "OK",
        [WAN_STREAM_CREATION_FAILED] = "STREAM_CREATION_FAILED",
        [WAN_STREAM_CLOSED] = "STREAM_CLOSED",
        [WAN_COMPRESSION_FAILED] = "COMPRESSION_FAILED",
        [WAN_DECOMPRESSION_FAILED] = "DECOMPRESSION_FAILED",
        [WAN_INVALID_CONFIG] = "INVALID_CONFIG",
        [WAN_NETWORK_TIMEOUT] = "NETWORK_TIMEOUT",
        [WAN_CIRCUIT_OPEN] = "CIRCUIT_OPEN"};
    return names[error];
}

unsigned wan_latency_class(uint64_t us)
{
    unsigned k = 0;
    while (k < WAN_LATENCIES - 1 && us > (uint64_t)100 << k) k++;
    return k;
}

void wan_totals_add(wan_totals *sum, const wan_totals *now, wan_totals *told)
{
    enum { COUNT = sizeof *sum / sizeof(uint64_t) };
    uint64_t *to = (uint64_t *)(void *)sum, *old = (uint64_t *)(void *)told;
    const uint64_t *from = (const uint64_t *)(const void *)now;
    for (uint32_t i = 0; i < COUNT; i++) to[i] += from[i] - old[i];
    *told = *now;
}
