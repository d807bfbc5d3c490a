/* Runs a flash patch in a simulated slot: memory that behaves like the flash of a device, as large
   as the patch requires. `diff` tests each patch with it before saving; `apply` is nothing else. */
#include "dxpatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The slot's input and output; user is its memory. Erased flash reads as ones. */
static int slot_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    uint8_t *at = (uint8_t *)user + offset;
    assert(user);
    if (what == DX_PATCH_FLASH_READ) memcpy(data, at, size);
    else if (what == DX_PATCH_FLASH_WRITE) memcpy(at, data, size);
    else memset(at, 255, size);
    return 0;
}

int dxpatch_run_flash(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                      uint64_t gap_max, dxpatch_content *to)
{
    dx_patch_header h;
    dx_patch_flash_desc desc = {0};
    assert(!to->bytes);
    int error = dx_patch_info(patch, patch_size, &h);
    if (error) return error;
    /* The gap, in pages between OLD and NEW, comes first in the body and gives the size of the slot
       (docs/formats/patch.md, section 4). */
    if (h.body_size < 4 || patch_size < DX_PATCH_HEADER_SIZE + 4) return DX_PATCH_ECORRUPT;
    const uint8_t *body = patch + DX_PATCH_HEADER_SIZE;
    uint64_t gap = body[0] | (uint32_t)body[1] << 8 | (uint32_t)body[2] << 16 |
                   (uint32_t)body[3] << 24;
    uint64_t larger = h.base_size > h.target_size ? h.base_size : h.target_size;
    if (gap * h.block_size > gap_max) return DX_PATCH_ENOMEM; /* both are below 2^32 */
    if (from->size != h.base_size)
        return from->size == h.target_size ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
    desc.slot_size = (larger / h.block_size + 1 + gap) * h.block_size;
    if (desc.slot_size > SIZE_MAX / 2) return DX_PATCH_ENOMEM;
    to->bytes = malloc((size_t)desc.slot_size);
    desc.user = to->bytes;
    desc.io = slot_io;
    desc.patch = patch;
    desc.patch_size = patch_size;
    desc.page_size = h.block_size;
    if (!to->bytes) return DX_PATCH_ENOMEM;
    memcpy(to->bytes, from->bytes, from->size);
    dx_patch_flash *f = prog_alloc(sizeof *f);
    error = dx_patch_flash_apply(f, &desc);
    free(f);
    to->size = (size_t)h.target_size;
    if (error != DX_PATCH_EAPPLIED) return error;
    uint8_t hash[DX_PATCH_HASH_SIZE]; /* the base may begin with the target or equal it */
    dx_patch_hash(from->bytes, from->size, hash);
    return memcmp(hash, h.base_hash, sizeof hash) == 0 ? DX_PATCH_OK : DX_PATCH_EAPPLIED;
}
