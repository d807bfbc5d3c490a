/* Records of regions. See coder.h. This file holds the implementation of dx_hde.h. */
#include "../../../dx_cas.h"

#include <stddef.h>
#include <stdint.h>

static void hash_page(uint64_t offset, const uint8_t *p, size_t size, uint8_t *value)
{
    dx_cas_blake3 plain;
    dx_cas_blake3_init(&plain);
    (void)dx_cas_blake3_part(&plain, offset, p, size, value); /* it refuses other sizes only */
}
#define DX_HDE_BLAKE3 hash_page
#ifdef VERSIONS_ZSTD_LIBRARY
  #define DX_HDE_ZSTD
#endif
#define DX_HDE_IMPLEMENTATION
#include "coder.h"

#include "../net/region.h"

#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_SIZE  = 16,  /* of states and baselines; the hash of the file is compared after each round */
    LARGE      = WAN_REGION_SIZE / 64 /* a difference above may be larger than the state after its base */
};

bool wan_coder_open(wan_coder *c, bool zstd, const wan_options *o)
{
    memset(c, 0, sizeof *c);
    c->desc.state_max = WAN_REGION_SIZE;
    c->desc.plain = o && o->plain;
    c->desc.ratio_wanted = o ? o->ratio_wanted : 0;
    c->desc.baselines_max = 2; /* the one that is given, and that of a whole state */
    c->desc.hash_size = HASH_SIZE;
    c->desc.level = o && o->level ? o->level : 3; /* a higher one searches for longer than most links take to send */
#ifdef DX_HDE_ZSTD
    c->zstd.cctx = ZSTD_createCCtx();
    c->zstd.dctx = ZSTD_createDCtx();
    if (c->zstd.cctx && c->zstd.dctx && zstd) c->desc.zstd = &c->zstd;
#else
    (void)zstd;
#endif
    c->desc.memory_size = dx_hde_memory_size(&c->desc);
    c->desc.memory = prog_alloc(c->desc.memory_size);
    c->other = prog_alloc(WAN_REGION_SIZE + DX_HDE_HEAD_MAX);
    const int error = dx_hde_init(&c->h, &c->desc);
    assert(!error);
    (void)error;
    return !zstd || !PROG_HAS_ZSTD || c->desc.zstd;
}

void wan_coder_close(wan_coder *c)
{
    free(c->desc.memory);
    free(c->other);
#ifdef DX_HDE_ZSTD
    ZSTD_freeCCtx((ZSTD_CCtx *)c->zstd.cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)c->zstd.dctx);
#endif
    memset(c, 0, sizeof *c);
}

/* Make these bytes the only baseline; NULL: none. */
static void set_base(wan_coder *c, const uint8_t *base, size_t size)
{
    if (base) (void)dx_hde_keep(&c->h, 0, 0, base, size); /* it refuses larger ones only */
    else (void)dx_hde_drop(&c->h, 0);
}

void wan_coder_set_prefix(wan_coder *c, const uint8_t *bytes, size_t size)
{
    c->zstd.prefix = size ? bytes : NULL;
    c->zstd.prefix_size = size;
    c->zstd.prefix_id = size ? DX_HDE_PREFIX | dx_crc32c_update(0, bytes, size) : 0;
}

/* Where bytes moved by a few, zstd finds more of them in the base than the search of dx_hde.h, which looks at whole
   blocks. Replaces a record of `used` bytes, if that is smaller. Returns the bytes of the record. */
static size_t encode_after(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *state, size_t size,
                           uint8_t *out, size_t used)
{
    size_t other = 0;
    assert(base_size && used > LARGE);
    (void)dx_hde_drop(&c->h, 0);
    wan_coder_set_prefix(c, base, base_size);
    const int error = dx_hde_encode(&c->h, 0, 0, state, size, c->other, size + DX_HDE_HEAD_MAX, &other);
    wan_coder_set_prefix(c, NULL, 0);
    assert(!error);
    if (error || other >= used) return used;
    memcpy(out, c->other, other);
    return other;
}

size_t wan_coder_encode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *state,
                        size_t size, uint8_t *out)
{
    size_t out_size = 0;
    assert(size <= WAN_REGION_SIZE && base_size <= WAN_REGION_SIZE);
    set_base(c, base, base_size);
    const int error = dx_hde_encode(&c->h, 0, 0, state, size, out, size + DX_HDE_HEAD_MAX, &out_size);
    assert(!error);
    (void)error;
    if (!base || !base_size || out_size <= LARGE || !c->desc.zstd || c->desc.plain) return out_size;
    return encode_after(c, base, base_size, state, size, out, out_size);
}

void wan_coder_adapt(wan_coder *c, uint64_t ms, bool busy) { dx_hde_adapt_level(&c->h, ms, busy); }

int32_t wan_coder_level(const wan_coder *c)
{
    dx_hde_stats stats;
    dx_hde_get_stats(&c->h, &stats);
    return stats.level;
}

int wan_coder_decode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *record,
                     size_t size, uint8_t *state, size_t *state_size)
{
    dx_hde_record what;
    const bool after = base_size && !c->zstd.prefix && !dx_hde_info(record, size, &what) && what.dictionary >= DX_HDE_PREFIX;
    if (after) wan_coder_set_prefix(c, base, base_size);
    else set_base(c, base_size ? base : NULL, base_size);
    const int error = dx_hde_decode(&c->h, 0, 0, record, size, state, WAN_REGION_SIZE, state_size);
    if (after) wan_coder_set_prefix(c, NULL, 0);
    return error;
}
