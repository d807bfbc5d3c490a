/* Makes a patch. Both files are in memory, or mapped: dx_patch_create() looks at all of them at once. */
#include "dxpatch.h"

#include "vcdiff.h"

#include <stdlib.h>
#include <string.h>

int dxpatch_make(const dxpatch_options *o, const dxpatch_content *from, const dxpatch_content *to, uint8_t **out,
                 size_t *size)
{
    dx_patch_create_desc desc = {0};
    dxup_progress("comparing", (uint64_t)from->size + to->size, 0, false);
    if (o->kind == DXPATCH_KIND_VCDIFF) {
        int failed = vcdiff_encode(from->bytes, from->size, to->bytes, to->size, out, size);
        return failed ? dxpatch_fail_vcdiff(failed, o->new_path) : DXUP_OK;
    }
    if (o->kind == DXPATCH_KIND_HDE) return dxpatch_make_record(o, from, to, out, size);
    desc.kind = o->kind ? (dx_patch_kind)o->kind : DX_PATCH_KIND_DELTA;
    desc.block_size = o->block_size;
    desc.slot_size = o->slot_size;
    desc.one_way = o->one_way;
    desc.level = o->level;
    size_t capacity = dx_patch_bound(&desc, from->size, to->size);
    desc.memory_size = dx_patch_create_memory_size(&desc, from->size, to->size);
    uint64_t most = o->memory_size ? o->memory_size : DXPATCH_MEMORY_MAKING;
    if (desc.kind == DX_PATCH_KIND_DELTA && desc.memory_size > most) desc.memory_size = (size_t)most;
    if (!capacity || !desc.memory_size) return dxpatch_fail(DX_PATCH_ETOOBIG, o->new_path);
    *out = malloc(capacity);
    desc.memory = malloc(desc.memory_size);
    int error = DX_PATCH_ENOMEM;
    if (*out && desc.memory)
        error = dx_patch_create(&desc, from->bytes, from->size, to->bytes, to->size, *out, capacity, size);
    free(desc.memory);
    if (error == DX_PATCH_EINVAL && o->slot_size)
        return dxup_fail(DXUP_USAGE, "a slot of %llu bytes is too small", (unsigned long long)o->slot_size);
    if (!error && desc.kind == DX_PATCH_KIND_FLASH) { /* dx_patch_create() tries the other kinds itself */
        dxpatch_content made = {0};
        error = dxpatch_run_flash(from, *out, *size, UINT64_MAX, &made); /* a slot that the user has asked for */
        if (!error && (made.size != to->size || memcmp(made.bytes, to->bytes, to->size) != 0)) error = DX_PATCH_ETARGET;
        dxpatch_drop(&made);
    }
    return error ? dxpatch_fail(error, o->new_path) : DXUP_OK;
}

int dxpatch_diff(const dxpatch_options *o)
{
    dxpatch_content from = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&to, o->new_path);
    if (!status && (dxpatch_is_same(o->patch_path, &from.st) || dxpatch_is_same(o->patch_path, &to.st)))
        status = dxup_fail(DXUP_REFUSED, "%s would be overwritten by its own patch", o->patch_path);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->patch_path, patch, size, os_new_mode());
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet)
        dxup_say("%s: %s bytes, %.2f %% of %s\n", o->patch_path, dxup_count_text(size, text),
               to.size ? 100.0 * (double)size / (double)to.size : 100.0, o->new_path);
    free(patch);
    dxpatch_drop(&from);
    dxpatch_drop(&to);
    return status;
}
