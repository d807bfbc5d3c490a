/* The messages of a mirror. See region.h. */
#include "region.h"

#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <string.h>

#define FRESH 0x8000u
#define LIKE  0x80000000u

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
    out[12] = r->back;
    out[13] = r->count;
    wan_store(out + 14, r->copies | (r->fresh ? FRESH : 0), 2);
    wan_store(out + 16, r->size, 4);
}

bool wan_region_read(wan_region *r, const uint8_t *bytes, size_t size)
{
    if (size < WAN_REGION_HEAD) return false;
    r->era = (uint32_t)wan_load(bytes, 4);
    r->tag = (uint32_t)wan_load(bytes + 4, 4);
    r->number = wan_load(bytes + 8, 4);
    r->back = bytes[12];
    r->count = bytes[13];
    const uint32_t copies = (uint32_t)wan_load(bytes + 14, 2);
    r->copies = (uint8_t)(copies & 0xff);
    r->fresh = (copies & FRESH) != 0;
    r->size = (uint32_t)wan_load(bytes + 16, 4);
    if (r->number >= WAN_REGIONS_MAX || r->size > WAN_REGION_SIZE) return false;
    if ((copies & ~FRESH) > WAN_COPIES_MAX || (r->fresh && !r->copies)) return false;
    if (r->copies && r->count) return false;
    if (!r->count) return !r->back;
    if (r->count > WAN_PREFIX_MAX || !r->back || r->back > WAN_BACK_MAX) return false;
    return (uint64_t)r->back + r->count <= r->number + 1;
}

void wan_copy_write(const wan_copy *c, uint8_t out[WAN_COPY_SIZE])
{
    wan_store(out, c->page | (c->like ? LIKE : 0), 4);
    out[4] = c->at;
    out[5] = c->pages;
}

bool wan_copy_read(wan_copy *c, const wan_region *r, const uint8_t bytes[WAN_COPY_SIZE])
{
    const uint32_t page = (uint32_t)wan_load(bytes, 4);
    c->page = page & ~LIKE;
    c->like = (page & LIKE) != 0;
    c->at = bytes[4];
    c->pages = bytes[5];
    if (!c->pages || c->pages > WAN_REGION_PAGES || c->at > WAN_REGION_PAGES - c->pages) return false;
    if ((uint32_t)(c->at + c->pages) * WAN_PAGE_SIZE > r->size) return false;
    return c->page <= LIKE - c->pages;
}

static uint32_t sum_of(const uint8_t bytes[WAN_PAGE_SIZE])
{
    return dx_crc32c_update(0, bytes, WAN_PAGE_SIZE) & 0xffffff;
}

size_t wan_sums_write(const uint8_t *region, size_t size, uint8_t out[WAN_SUMS_SIZE])
{
    const uint32_t count = (uint32_t)(size / WAN_PAGE_SIZE);
    assert(count <= WAN_REGION_PAGES);
    for (uint32_t i = 0; i < count; i++)
        wan_store(out + (size_t)i * WAN_SUM_SIZE, sum_of(region + (size_t)i * WAN_PAGE_SIZE), WAN_SUM_SIZE);
    return (size_t)count * WAN_SUM_SIZE;
}

bool wan_sum_is_of(const uint8_t *sums, uint32_t page, const uint8_t bytes[WAN_PAGE_SIZE])
{
    return wan_load(sums + (size_t)page * WAN_SUM_SIZE, WAN_SUM_SIZE) == sum_of(bytes);
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
