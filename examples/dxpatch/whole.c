/* What is done with whole files in memory: patches of VCDIFF and for flash applied, two patches made into one. */
#include "dxpatch.h"

#include "vcdiff.h"

#include <stdlib.h>
#include <string.h>

/* Nothing that a damaged patch says makes us take more memory than this. */
#define TARGET_SIZE_MAX ((size_t)4 << 30)

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

int dxpatch_run_flash(const dxpatch_content *from, const uint8_t *patch, size_t patch_size, dxpatch_content *to)
{
    dx_patch_header h;
    dx_patch_flash_desc desc = {0};
    int error = dx_patch_info(patch, patch_size, &h);
    if (error) return error;
    /* The slot is as large as the patch wants: the gap stands first in its body (docs/PATCH.md, section 4). */
    if (h.body_size < 4 || patch_size < DX_PATCH_HEADER_SIZE + 4) return DX_PATCH_ECORRUPT;
    const uint8_t *body = patch + DX_PATCH_HEADER_SIZE;
    uint64_t gap = body[0] | (uint32_t)body[1] << 8 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 24;
    uint64_t larger = h.base_size > h.target_size ? h.base_size : h.target_size;
    if (gap * h.block_size > TARGET_SIZE_MAX) return DX_PATCH_ETOOBIG;
    if (from->size != h.base_size) return from->size == h.target_size ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
    desc.slot_size = (larger / h.block_size + 1 + gap) * h.block_size;
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

/* What a patch of either format makes of a content; to->bytes is the caller's to free, also after an error. */
static int patch_content(const dxpatch_content *from, const char *from_path, const dxpatch_content *patch,
                         const char *patch_path, dxpatch_content *to)
{
    dx_patch_header h;
    if (vcdiff_is(patch->bytes, patch->size)) {
        int error = vcdiff_decode(from->bytes, from->size, patch->bytes, patch->size, TARGET_SIZE_MAX, &to->bytes,
                                  &to->size);
        return error ? dxpatch_fail_vcdiff(error, patch_path) : DXUP_OK;
    }
    if (dxpatch_is_record(patch->bytes, patch->size)) {
        int failed = dxpatch_run_record(from, patch->bytes, patch->size, to);
        bool other = failed == DX_PATCH_EBASE || failed == DX_PATCH_EAPPLIED;
        return failed ? dxpatch_fail(failed, other ? from_path : patch_path) : DXUP_OK;
    }
    int error = patch->size ? dx_patch_info(patch->bytes, patch->size, &h) : DX_PATCH_ENOPATCH;
    if (!error && h.memory_size > DXPATCH_MEMORY_MAX) error = DX_PATCH_ENOMEM;
    if (!error && h.target_size > TARGET_SIZE_MAX) error = DX_PATCH_ETOOBIG;
    if (!error && h.kind == DX_PATCH_KIND_FLASH) {
        error = dxpatch_run_flash(from, patch->bytes, patch->size, to);
        bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
        return error ? dxpatch_fail(error, base ? from_path : patch_path) : DXUP_OK;
    }
    if (error) return dxpatch_fail(error, patch_path);
    void *memory = dxup_alloc((size_t)h.memory_size);
    size_t capacity = (size_t)h.target_size;
    to->bytes = malloc(capacity + 1);
    error = DX_PATCH_ENOMEM;
    if (to->bytes)
        error = dx_patch_apply(from->bytes, from->size, patch->bytes, patch->size, to->bytes, capacity, &to->size,
                               memory, (size_t)h.memory_size);
    free(memory);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
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
    if (!status) status = patch_content(&from, o->old_path, &patch, o->patch_path, &to);
    dxpatch_drop(&from); /* new_path may be the same file */
    if (!status) status = dxpatch_save(new_path, to.bytes, to.size, from.st.mode);
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) printf("%s: %s bytes\n", new_path, dxup_count_text(to.size, text));
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
    if (!status) status = patch_content(&from, o->old_path, &first, o->patch_path, &between);
    if (!status) status = patch_content(&between, o->patch_path, &second, o->second_path, &to);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->new_path, patch, size, os_new_mode());
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) printf("%s: %s bytes\n", o->new_path, dxup_count_text(size, text));
    dxpatch_drop(&from);
    dxpatch_drop(&first);
    dxpatch_drop(&second);
    dxpatch_drop(&between);
    dxpatch_drop(&to);
    free(patch);
    return status;
}
