/* zstd for objects. Contexts are kept: making one costs more than packing a small object. */
#include "codec.h"

#include "dxup.h"

#include <stdlib.h>

#ifdef DXUP_ZSTD_LIBRARY
#include <zstd.h>

enum { LEVEL = 3 };

struct dxup_packer {
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
};

dxup_packer *dxup_packer_open(void)
{
    dxup_packer *p = dxup_alloc(sizeof *p);
    p->pack = NULL;
    p->unpack = NULL;
    return p;
}

void dxup_packer_close(dxup_packer *p)
{
    if (!p) return;
    ZSTD_freeCCtx(p->pack);
    ZSTD_freeDCtx(p->unpack);
    free(p);
}

size_t dxup_pack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    if (!p->pack) p->pack = ZSTD_createCCtx();
    size_t got = p->pack ? ZSTD_compressCCtx(p->pack, out, capacity, in, size, LEVEL) : 0;
    return ZSTD_isError(got) ? 0 : got;
}

size_t dxup_unpack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    if (!p->unpack) p->unpack = ZSTD_createDCtx();
    size_t got = p->unpack ? ZSTD_decompressDCtx(p->unpack, out, capacity, in, size) : 0;
    return ZSTD_isError(got) ? 0 : got;
}
#else
dxup_packer *dxup_packer_open(void) { return NULL; }
void dxup_packer_close(dxup_packer *p) { (void)p; }

size_t dxup_pack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)in, (void)size;
    return 0;
}

size_t dxup_unpack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)in, (void)size;
    return 0;
}
#endif
