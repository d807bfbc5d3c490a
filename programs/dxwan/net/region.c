/* The messages of a mirror. See region.h. */
#include "region.h"

#include <string.h>

uint64_t wan_load(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)p[i] << 8 * i;
    return value;
}

void wan_store(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> 8 * i & 0xff);
}

bool wan_signs_add(wan_signs *s, const uint8_t *bytes, size_t size, bool idle)
{
    if (size != 8) return false;
    const uint64_t now = wan_load(bytes, 8);
    if (now > (uint64_t)2 * WAN_REGIONS_MAX * WAN_REGION_SIZE) return false; /* a round is read twice */
    if (now == s->bytes) return true; /* no progress */
    s->bytes = now;
    s->count += idle;
    if (s->count <= WAN_SIGNS_MAX + now / WAN_SIGN_SIZE) s->valid++;
    return true;
}

void wan_region_write(const wan_region *r, uint8_t out[WAN_REGION_HEAD])
{
    wan_store(out, r->era, 4);
    wan_store(out + 4, r->tag, 4);
    wan_store(out + 8, r->number, 4);
    wan_store(out + 12, r->back, 2);
    wan_store(out + 14, r->count, 2);
    wan_store(out + 16, r->size, 4);
}

bool wan_region_read(wan_region *r, const uint8_t *bytes, size_t size)
{
    if (size < WAN_REGION_HEAD) return false;
    r->era = (uint32_t)wan_load(bytes, 4);
    r->tag = (uint32_t)wan_load(bytes + 4, 4);
    r->number = wan_load(bytes + 8, 4);
    r->back = (uint16_t)wan_load(bytes + 12, 2);
    r->count = (uint16_t)wan_load(bytes + 14, 2);
    r->size = (uint32_t)wan_load(bytes + 16, 4);
    if (r->number >= WAN_REGIONS_MAX || r->size > WAN_REGION_SIZE) return false;
    if (!r->count) return !r->back;
    if (r->count > WAN_PREFIX_MAX || !r->back || r->back > WAN_BACK_MAX) return false;
    return (uint64_t)r->back + r->count <= r->number + 1;
}

void wan_round_write(const wan_round *r, uint8_t out[WAN_ROUND_SIZE])
{
    wan_store(out, r->era, 4);
    wan_store(out + 4, r->number, 4);
    wan_store(out + 8, r->size, 8);
    memcpy(out + 16, r->hash, sizeof r->hash);
    out[48] = r->final;
}

bool wan_round_read(wan_round *r, const uint8_t *bytes, size_t size)
{
    if (size != WAN_ROUND_SIZE || bytes[48] > 1) return false;
    r->era = (uint32_t)wan_load(bytes, 4);
    r->number = (uint32_t)wan_load(bytes + 4, 4);
    r->size = wan_load(bytes + 8, 8);
    memcpy(r->hash, bytes + 16, sizeof r->hash);
    r->final = bytes[48] != 0;
    return r->size <= (uint64_t)WAN_REGIONS_MAX * WAN_REGION_SIZE;
}
