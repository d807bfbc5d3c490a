/* What is done with whole files in memory: patches of VCDIFF and for flash applied, two patches made into one. */
#include "dxpatch.h"

#include "vcdiff.h"

#include <stdlib.h>
#include <string.h>

bool dxpatch_is_vcdiff(const char *path)
{
    uint8_t bytes[4];
    int fd = os_open(path);
    if (fd < 0) return false;
    bool is = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes && vcdiff_is(bytes, sizeof bytes);
    os_close(fd);
    return is;
}

bool dxpatch_is_whole(const char *path)
{
    uint8_t bytes[8];
    int fd = os_open(path);
    if (fd < 0) return false;
    bool flash = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes && memcmp(bytes, "DXP1", 4) == 0 &&
                 bytes[5] == DX_PATCH_KIND_FLASH;
    os_close(fd);
    return flash || dxpatch_is_vcdiff(path) || dxpatch_is_record_file(path);
}

static int slot_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    uint8_t *at = (uint8_t *)user + offset;
    if (what == DX_PATCH_FLASH_READ) memcpy(data, at, size);
    else if (what == DX_PATCH_FLASH_WRITE) memcpy(at, data, size);
    else memset(at, 255, size);
    return 0;
}

int dxpatch_run_flash(const dxpatch_content *from, const uint8_t *patch, size_t patch_size, uint64_t gap_max,
                      dxpatch_content *to)
{
    dx_patch_header h;
    dx_patch_flash_desc desc = {0};
    int error = dx_patch_info(patch, patch_size, &h);
    if (error) return error;
    /* The slot is as large as the patch wants: the gap stands first in its body (docs/formats/patch.md, section 4). */
    if (h.body_size < 4 || patch_size < DX_PATCH_HEADER_SIZE + 4) return DX_PATCH_ECORRUPT;
    const uint8_t *body = patch + DX_PATCH_HEADER_SIZE;
    uint64_t gap = body[0] | (uint32_t)body[1] << 8 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 24;
    uint64_t larger = h.base_size > h.target_size ? h.base_size : h.target_size;
    if (gap * h.block_size > gap_max) return DX_PATCH_ENOMEM; /* both are below 2^32 */
    if (from->size != h.base_size) return from->size == h.target_size ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
    desc.slot_size = (larger / h.block_size + 1 + gap) * h.block_size;
    if (desc.slot_size > SIZE_MAX / 2) return DX_PATCH_ENOMEM;
    desc.user = to->bytes = malloc((size_t)desc.slot_size);
    desc.io = slot_io;
    desc.patch = patch;
    desc.patch_size = patch_size;
    desc.page_size = h.block_size;
    if (!to->bytes) return DX_PATCH_ENOMEM;
    memcpy(to->bytes, from->bytes, from->size);
    dx_patch_flash *f = dxup_alloc(sizeof *f);
    error = dx_patch_flash_apply(f, &desc);
    free(f);
    to->size = (size_t)h.target_size;
    if (error != DX_PATCH_EAPPLIED) return error;
    uint8_t hash[DX_PATCH_HASH_SIZE]; /* the base may start with the target, or be it */
    dx_patch_hash(from->bytes, from->size, hash);
    return memcmp(hash, h.base_hash, sizeof hash) == 0 ? DX_PATCH_OK : DX_PATCH_EAPPLIED;
}

/* What a patch of dx_patch.h makes of a content, in memory. ETOOBIG: above target_max; ENOMEM: above memory_max, or
   the system has none. */
static int run_patch(const dxpatch_content *from, const dxpatch_content *patch, uint64_t memory_max, uint64_t target_max,
                     dxpatch_content *to)
{
    dx_patch_header h;
    int error = patch->size ? dx_patch_info(patch->bytes, patch->size, &h) : DX_PATCH_ENOPATCH;
    if (error) return error;
    if (h.memory_size > memory_max) return DX_PATCH_ENOMEM;
    if (h.target_size > target_max) return DX_PATCH_ETOOBIG;
    if (h.kind == DX_PATCH_KIND_FLASH) return dxpatch_run_flash(from, patch->bytes, patch->size, memory_max, to);
    void *memory = malloc((size_t)h.memory_size);
    size_t capacity = (size_t)h.target_size;
    to->bytes = malloc(capacity + 1);
    error = DX_PATCH_ENOMEM;
    if (to->bytes && memory)
        error = dx_patch_apply(from->bytes, from->size, patch->bytes, patch->size, to->bytes, capacity, &to->size,
                               memory, (size_t)h.memory_size);
    free(memory);
    return error;
}

/* What a patch of either format makes of a content; to->bytes is the caller's to free, also after an error. Its sizes
   are held against the limits before anything is allocated for them. */
static int patch_content(const dxpatch_options *o, const dxpatch_content *from, const char *from_path,
                         const dxpatch_content *patch, const char *patch_path, dxpatch_content *to)
{
    uint64_t target_max = dxpatch_target_max(o, from->size, patch->size), memory_max = dxpatch_memory_max(o);
    if (target_max > SIZE_MAX / 2) target_max = SIZE_MAX / 2;
    if (memory_max > SIZE_MAX / 2) memory_max = SIZE_MAX / 2;
    if (vcdiff_is(patch->bytes, patch->size)) {
        int failed = vcdiff_decode(from->bytes, from->size, patch->bytes, patch->size, (size_t)target_max, &to->bytes,
                                   &to->size);
        if (failed == VCDIFF_ETOOBIG) return dxpatch_fail_target(patch_path, target_max);
        return failed ? dxpatch_fail_vcdiff(failed, patch_path) : DXUP_OK;
    }
    int error = dxpatch_is_record(patch->bytes, patch->size)
                    ? dxpatch_run_record(from, patch->bytes, patch->size, target_max, to)
                    : run_patch(from, patch, memory_max, target_max, to);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
    if (error == DX_PATCH_ETOOBIG) return dxpatch_fail_target(patch_path, target_max);
    if (error == DX_PATCH_ENOMEM) return dxpatch_fail_memory(patch_path, memory_max);
    return error ? dxpatch_fail(error, base ? from_path : patch_path) : DXUP_OK;
}

int dxpatch_apply_whole(const dxpatch_options *o, const char *new_path)
{
    dxpatch_content from = {0}, patch = {0}, to = {0};
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&patch, o->patch_path);
    if (!status && dxpatch_is_same(new_path, &patch.st))
        status = dxup_fail(DXUP_REFUSED, "%s is the patch itself", new_path);
    if (!status) status = patch_content(o, &from, o->old_path, &patch, o->patch_path, &to);
    dxpatch_drop(&from); /* new_path may be the same file */
    if (!status) status = dxpatch_save(new_path, to.bytes, to.size, from.st.mode);
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) dxup_say("%s: %s bytes\n", new_path, dxup_count_text(to.size, text));
    dxpatch_drop(&from);
    dxpatch_drop(&patch);
    dxpatch_drop(&to);
    return status;
}

/* OLD is needed: what the first patch predicts, or leaves alone, stands in no patch. */
int dxpatch_compose(const dxpatch_options *o)
{
    dxpatch_content from = {0}, first = {0}, second = {0}, between = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&first, o->patch_path);
    if (!status) status = dxpatch_load(&second, o->second_path);
    if (!status && (dxpatch_is_same(o->new_path, &from.st) || dxpatch_is_same(o->new_path, &first.st) ||
                    dxpatch_is_same(o->new_path, &second.st)))
        status = dxup_fail(DXUP_REFUSED, "%s would be overwritten by the patch made of it", o->new_path);
    if (!status) status = patch_content(o, &from, o->old_path, &first, o->patch_path, &between);
    if (!status) status = patch_content(o, &between, o->patch_path, &second, o->second_path, &to);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->new_path, patch, size, os_new_mode());
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) dxup_say("%s: %s bytes\n", o->new_path, dxup_count_text(size, text));
    dxpatch_drop(&from);
    dxpatch_drop(&first);
    dxpatch_drop(&second);
    dxpatch_drop(&between);
    dxpatch_drop(&to);
    free(patch);
    return status;
}
