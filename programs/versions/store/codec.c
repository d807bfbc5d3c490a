/* Compression of objects: zstd, and deltas in two codings: zstd with the base as its dictionary,
   and dx_patch without its header. dx_cas tries the coders in order and keeps the smallest result.
   Contexts are reused, because creating one costs more than compressing a small object. */
#include "codec.h"

#include "../../common/common.h"

#include "../../../dx_patch.h"
#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef VERSIONS_ZSTD_LIBRARY
#include <zstd.h>

enum { LEVEL = 3, HARD_LEVEL = 12, BEHIND_LEVEL = 9, BEHIND_WINDOW = 21 };

struct versions_packer {
    int        level;
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
};

versions_packer *versions_packer_open(void)
{
    versions_packer *p = prog_alloc(sizeof *p);
    p->level = LEVEL;
    p->pack = NULL;
    p->unpack = NULL;
    return p;
}

void versions_packer_try_hard(versions_packer *p)
{
    if (p) p->level = HARD_LEVEL;
}

void versions_packer_close(versions_packer *p)
{
    if (!p) return;
    ZSTD_freeCCtx(p->pack);
    ZSTD_freeDCtx(p->unpack);
    free(p);
}

size_t versions_pack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    assert(p->level > 0);
    if (!p->pack) p->pack = ZSTD_createCCtx();
    size_t got = p->pack ? ZSTD_compressCCtx(p->pack, out, capacity, in, size, p->level) : 0;
    return ZSTD_isError(got) ? 0 : got;
}

size_t versions_unpack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    if (!p->unpack) p->unpack = ZSTD_createDCtx();
    size_t got = p->unpack ? ZSTD_decompressDCtx(p->unpack, out, capacity, in, size) : 0;
    return ZSTD_isError(got) ? 0 : got;
}
/* Compress with the base as a prefix; both must fit into the window. 0: they do not. */
static size_t pack_behind(ZSTD_CCtx *pack, int level, int window_log, void *out, size_t capacity,
                          const void *base, size_t base_size, const void *in, size_t n)
{
    ZSTD_CCtx_reset(pack, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(pack, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(pack, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(pack, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_refPrefix(pack, base, base_size);
    size_t got = ZSTD_compress2(pack, out, capacity, in, n);
    return ZSTD_isError(got) ? 0 : got;
}

size_t versions_pack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                            size_t prefix_size, const void *in, size_t size)
{
    if (!p->pack) p->pack = ZSTD_createCCtx();
    if (!p->pack) return 0;
    return pack_behind(p->pack, BEHIND_LEVEL, BEHIND_WINDOW, out, capacity, prefix, prefix_size,
                       in, size);
}

size_t versions_unpack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                              size_t prefix_size, const void *in, size_t size)
{
    if (!p->unpack) p->unpack = ZSTD_createDCtx();
    if (!p->unpack) return 0;
    ZSTD_DCtx_reset(p->unpack, ZSTD_reset_session_and_parameters);
    ZSTD_DCtx_refPrefix(p->unpack, prefix, prefix_size);
    size_t got = ZSTD_decompressDCtx(p->unpack, out, capacity, in, size);
    return ZSTD_isError(got) ? 0 : got;
}
#else
versions_packer *versions_packer_open(void) { return NULL; }
void versions_packer_close(versions_packer *p) { (void)p; }
void versions_packer_try_hard(versions_packer *p) { (void)p; }

size_t versions_pack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)in, (void)size;
    return 0;
}

size_t versions_unpack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)in, (void)size;
    return 0;
}

size_t versions_pack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                            size_t prefix_size, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)prefix, (void)prefix_size, (void)in, (void)size;
    return 0;
}

size_t versions_unpack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                              size_t prefix_size, const void *in, size_t size)
{
    (void)p, (void)out, (void)capacity, (void)prefix, (void)prefix_size, (void)in, (void)size;
    return 0;
}
#endif

/* >>deltas: docs/formats/cas.md, section 16 -------------------------------------- */
enum {
    SMALL         = 256, /* a smaller delta needs no further trial */
    QUICK_LEVEL   = 3,   /* levels of zstd, */
    BEST_LEVEL    = 12,
    HARDEST_LEVEL = 19,
    WINDOW        = 20,  /* log2 of its window: holds an object and its base */
    PATCH_LEVEL   = 5,   /* and of dx_patch */
    PATCH_HEAD    = 5,   /* coding and memory size of the patch, instead of its header */
#ifdef VERSIONS_ZSTD_LIBRARY
    HAS_ZSTD = 1
#else
    HAS_ZSTD = 0
#endif
};

struct versions_differ {
    versions_packer *packer;
    int              level;       /* for zstd_best() */
    bool             hurry;       /* try only zstd_quick() */
    uint8_t         *memory;      /* for dx_patch */
    size_t           memory_size;
    uint8_t         *patch;
    size_t           patch_size;
    size_t           quick;  /* the size of its result; 0: no gain */
};

versions_differ *versions_differ_open(void)
{
    versions_differ *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    d->packer = versions_packer_open();
    d->level = BEST_LEVEL;
    return d;
}

void versions_differ_try_hard(versions_differ *d) { d->level = HARDEST_LEVEL; }

void versions_differ_hurry(versions_differ *d, bool hurry) { d->hurry = hurry; }

void versions_differ_close(versions_differ *d)
{
    if (!d) return;
    versions_packer_close(d->packer);
    free(d->memory);
    free(d->patch);
    free(d);
}

#ifdef VERSIONS_ZSTD_LIBRARY
/* The first coder: finds out for the others whether a delta is smaller at all. */
static int zstd_quick(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                      const void *in, size_t n, size_t *got)
{
    versions_differ *d = user;
    versions_packer *p = d->packer;
    d->quick = 0;
    if (!p->pack) p->pack = ZSTD_createCCtx();
    if (!p->pack) return DX_CAS_ENOSPACE;
    *got = pack_behind(p->pack, QUICK_LEVEL, WINDOW, out, capacity, base, base_size, in, n);
    d->quick = *got;
    return *got ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

/* The last coder: runs only if zstd_quick() gained something and dx_patch is not much better. */
static int zstd_best(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                     const void *in, size_t n, size_t *got)
{
    versions_differ *d = user;
    if (d->hurry || d->quick <= SMALL || d->quick > capacity + capacity / 4) return DX_CAS_ENOSPACE;
    *got = pack_behind(d->packer->pack, d->level, WINDOW, out, capacity, base, base_size, in, n);
    return *got ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

static int zstd_decode(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                       const void *in, size_t n, size_t *got)
{
    *got = versions_unpack_behind(((versions_differ *)user)->packer, out, capacity, base, base_size,
                                  in, n);
    return *got ? DX_CAS_OK : DX_CAS_ECORRUPT;
}
#endif

/* Return a buffer of at least `need` bytes; growing discards its content. */
static uint8_t *enough(uint8_t **memory, size_t *size, size_t need)
{
    if (*size < need) {
        free(*memory);
        *memory = prog_alloc(need);
        *size = need;
    }
    assert(*size >= need);
    return *memory;
}

static void store_number(uint8_t *out, uint64_t v, int size)
{
    assert(size >= 1 && size <= 8);
    for (int i = 0; i < size; i++) out[i] = (uint8_t)(v >> (8 * i) & 0xff);
}

/* Encode a delta patch without the header fields that the decoder knows. */
static int patch_encode(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                        const void *in, size_t n, size_t *got)
{
    versions_differ *d = user;
    dx_patch_create_desc desc = {.level = PATCH_LEVEL, .codings = 1u << DX_PATCH_CODING_RANGE,
                                 .apply_memory_max = 4 << 20, .skip_check = true};
    dx_patch_header header;
    uint8_t *to = out;
    size_t size = 0;
    /* the object is not similar to the base */
    if (capacity < SMALL || (HAS_ZSTD && (d->hurry || !d->quick))) return DX_CAS_ENOSPACE;
    desc.memory_size = dx_patch_create_memory_size(&desc, base_size, n);
    desc.memory = enough(&d->memory, &d->memory_size, desc.memory_size);
    uint8_t *patch = enough(&d->patch, &d->patch_size, dx_patch_bound(&desc, base_size, n));
    if (dx_patch_create(&desc, base, base_size, in, n, patch, d->patch_size, &size) ||
        dx_patch_info(patch, size, &header) || header.memory_size > UINT32_MAX ||
        size - DX_PATCH_HEADER_SIZE + PATCH_HEAD > capacity)
        return DX_CAS_ENOSPACE;
    to[0] = header.coding;
    store_number(to + 1, header.memory_size, 4);
    memcpy(to + PATCH_HEAD, patch + DX_PATCH_HEADER_SIZE, size - DX_PATCH_HEADER_SIZE);
    *got = size - DX_PATCH_HEADER_SIZE + PATCH_HEAD;
    assert(*got <= capacity);
    return DX_CAS_OK;
}

/* Rebuild the header, and apply. */
static int patch_decode(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                        const void *in, size_t n, size_t *got)
{
    versions_differ *d = user;
    const uint8_t *p = in;
    uint8_t header[DX_PATCH_HEADER_SIZE] = {'D', 'X', 'P', '1', 3, DX_PATCH_KIND_DELTA, 1};
    dx_patch_applier applier;
    dx_patch_applier_desc desc = {.base = base, .base_size = base_size, .out = out,
                                  .out_capacity = capacity, .target_size_max = capacity,
                                  .skip_base_hash = true, .skip_target_hash = true};
    if (n < PATCH_HEAD) return DX_CAS_ECORRUPT;
    desc.memory_size = p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16 | (size_t)p[4] << 24;
    if (desc.memory_size > 4 << 20) return DX_CAS_ECORRUPT;
    header[7] = p[0];
    store_number(header + 8, base_size, 8);
    store_number(header + 16, capacity, 8);
    store_number(header + 24, n - PATCH_HEAD, 8);
    store_number(header + 40, desc.memory_size, 8);
    store_number(header + 112, dx_crc32c_update(0, p + PATCH_HEAD, n - PATCH_HEAD), 4);
    store_number(header + 124, dx_crc32c_update(0, header, 124), 4);
    desc.memory = enough(&d->memory, &d->memory_size, desc.memory_size);
    int error = dx_patch_applier_init(&applier, &desc);
    if (!error) error = dx_patch_applier_feed(&applier, header, sizeof header);
    if (!error) error = dx_patch_applier_feed(&applier, p + PATCH_HEAD, n - PATCH_HEAD);
    if (!error) error = dx_patch_applier_finish(&applier);
    *got = capacity;
    return error ? DX_CAS_ECORRUPT : DX_CAS_OK;
}

size_t versions_differ_guess(versions_differ *d, void *out, size_t capacity, const void *base,
                             size_t base_size, const void *in, size_t n)
{
#ifdef VERSIONS_ZSTD_LIBRARY
    size_t got = 0;
    return zstd_quick(d, out, capacity, base, base_size, in, n, &got) ? 0 : got;
#else
    (void)d, (void)out, (void)capacity, (void)base, (void)base_size, (void)in, (void)n;
    return 0;
#endif
}

size_t versions_differ_coders(versions_differ *d, dx_cas_delta_coder coders[VERSIONS_CODERS_MAX])
{
    size_t n = 0;
    assert(d->packer || !HAS_ZSTD);
#ifdef VERSIONS_ZSTD_LIBRARY
    coders[n++] = (dx_cas_delta_coder){1, zstd_quick, zstd_decode, d};
#endif
    coders[n++] = (dx_cas_delta_coder){2, patch_encode, patch_decode, d};
#ifdef VERSIONS_ZSTD_LIBRARY
    coders[n++] = (dx_cas_delta_coder){1, zstd_best, zstd_decode, d};
#endif
    assert(n <= VERSIONS_CODERS_MAX);
    return n;
}
