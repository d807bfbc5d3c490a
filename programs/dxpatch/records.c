/* --kind hde: a patch is one record of dx_hde.h, with NEW as the state and OLD as its baseline
   (docs/formats/hde.md). This file holds the implementation of that layer. */
#include "dxpatch.h"

#ifdef VERSIONS_ZSTD_LIBRARY
  #define DX_HDE_ZSTD
#endif
#define DX_HDE_IMPLEMENTATION
#include "../../layers/dx_hde.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* An encoder or decoder with the memory that it and zstd use. */
typedef struct coder {
    dx_hde      h;
    dx_hde_desc desc;
    dx_hde_zstd zstd;
} coder;

static void close_coder(coder *c)
{
    free(c->desc.memory);
#ifdef DX_HDE_ZSTD
    ZSTD_freeCCtx((ZSTD_CCtx *)c->zstd.cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)c->zstd.dctx);
#endif
    memset(c, 0, sizeof *c);
}

/* Open a coder with `from` as its baseline, for states of up to `size` bytes. The caller calls
   close_coder(), also after an error. */
static int open_coder(coder *c, const dxpatch_content *from, uint64_t size, uint32_t level,
                      bool no_zstd)
{
    assert(from->bytes || !from->size);
    memset(c, 0, sizeof *c);
    if (from->size > size) size = from->size;
    if (size >> 31) return DX_PATCH_ETOOBIG;
#ifdef DX_HDE_ZSTD
    c->zstd.cctx = ZSTD_createCCtx();
    c->zstd.dctx = ZSTD_createDCtx();
    if (!c->zstd.cctx || !c->zstd.dctx) return DX_PATCH_ENOMEM;
    if (!no_zstd) c->desc.zstd = &c->zstd;
#else
    (void)no_zstd;
#endif
    c->desc.state_max = size ? (uint32_t)size : 1;
    c->desc.baselines_max = 1;
    c->desc.level = (int32_t)level;
    c->desc.memory_size = dx_hde_memory_size(&c->desc);
    c->desc.memory = c->desc.memory_size ? malloc(c->desc.memory_size) : NULL;
    if (!c->desc.memory) return DX_PATCH_ENOMEM;
    int error = dx_hde_init(&c->h, &c->desc);
    return error ? error : dx_hde_keep(&c->h, 0, 0, from->bytes, from->size);
}

int dxpatch_make_record(const dxpatch_options *o, const dxpatch_content *from,
                        const dxpatch_content *to, uint8_t **out, size_t *size)
{
    coder *c = prog_alloc(sizeof *c);
    size_t capacity = to->size + DX_HDE_HEAD_MAX, got;
    uint8_t *check = NULL;
    assert(!*out);
    int error = open_coder(c, from, to->size, o->level, o->no_zstd);
    *out = malloc(capacity);
    if (!error && !*out) error = DX_PATCH_ENOMEM;
    if (!error) error = dx_hde_encode(&c->h, 0, 0, to->bytes, to->size, *out, capacity, size);
    assert(error || *size <= capacity);
    close_coder(c);
    /* Decode it once before it is saved. */
    if (!error) error = open_coder(c, from, to->size, 0, o->no_zstd);
    if (!error) check = malloc(to->size + 1);
    if (!error && !check) error = DX_PATCH_ENOMEM;
    if (!error) error = dx_hde_decode(&c->h, 0, 0, *out, *size, check, to->size, &got);
    if (!error && (got != to->size || memcmp(check, to->bytes, got) != 0)) error = DX_PATCH_ETARGET;
    close_coder(c);
    free(check);
    free(c);
    return error ? dxpatch_fail(error, o->new_path) : PROG_OK;
}

bool dxpatch_is_record(const uint8_t *bytes, size_t size)
{
    return size >= 4 && memcmp(bytes, "DXH1", 4) == 0;
}

bool dxpatch_is_record_file(const char *path)
{
    uint8_t bytes[4];
    int fd = os_open(path);
    if (fd < 0) return false;
    bool is = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes &&
              dxpatch_is_record(bytes, sizeof bytes);
    os_close(fd);
    return is;
}

int dxpatch_run_record(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                       uint64_t target_max, dxpatch_content *to)
{
    dx_hde_record r;
    uint8_t hash[DX_PATCH_HASH_SIZE];
    assert(!to->bytes);
    int error = dx_hde_info(patch, patch_size, &r);
    if (error) return error;
    assert(r.hash_size <= sizeof hash);
    if (r.kind == DX_HDE_NACK) return DX_PATCH_EVERSION;
    if (r.state_size >> 31 || r.state_size > target_max) return DX_PATCH_ETOOBIG;
    dx_patch_hash(from->bytes, from->size, hash);
    if (r.kind != DX_HDE_WHOLE && memcmp(hash, r.baseline, r.hash_size) != 0)
        return memcmp(hash, r.hash, r.hash_size) == 0 ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
    coder *c = prog_alloc(sizeof *c);
    error = open_coder(c, from, r.state_size, 0, false);
    to->bytes = malloc((size_t)r.state_size + 1);
    if (!error && !to->bytes) error = DX_PATCH_ENOMEM;
    if (!error)
        error = dx_hde_decode(&c->h, 0, 0, patch, patch_size, to->bytes, (size_t)r.state_size,
                              &to->size);
    close_coder(c);
    free(c);
    return error;
}

int dxpatch_info_record(const dxpatch_options *o)
{
    static const char *const kinds[] = {"", "whole", "delta", "patch", "nack"};
    static const char *const codings[] = {"plain", "range", "zstd"};
    dxpatch_content patch = {0};
    dx_hde_record r;
    int status = dxpatch_load(&patch, o->patch_path);
    if (!status) {
        int error = dx_hde_info(patch.bytes, patch.size, &r);
        if (error) status = dxpatch_fail(error, o->patch_path);
    }
    prog_progress(NULL, 0, 0, true);
    if (!status) {
        assert(r.kind < sizeof kinds / sizeof *kinds);
        prog_say("kind=hde\n");
        prog_say("record=%s\n", kinds[r.kind]);
        prog_say("coding=%s\n", codings[r.coding]);
        prog_say("changes=%s\n", r.subtract ? "differences" : "xor");
        prog_say("stride=%u\n", 1u << r.stride_log);
        prog_say("target_size=%llu\n", (unsigned long long)r.state_size);
        prog_say("body_size=%llu\n", (unsigned long long)r.body_size);
        prog_say("dictionary=%u\n", (unsigned)r.dictionary);
        for (int k = 0; k < (r.kind == DX_HDE_WHOLE ? 1 : 2); k++) {
            prog_say(k ? "base_hash=" : "target_hash=");
            for (unsigned i = 0; i < r.hash_size; i++)
                prog_say("%02x", (k ? r.baseline : r.hash)[i]);
            prog_say("\n");
        }
    }
    dxpatch_drop(&patch);
    return status;
}
