/* Makes a patch of any kind. Both files are read into memory or mapped, because dx_patch_create()
   needs random access to all of them. Every patch is applied once before it is saved. Stands on the
   files of the kinds: flash.c, records.c, vcdiff.c, ../containers/. */
#include "dxpatch.h"

#include "../containers/container.h"
#include "vcdiff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Apply a flash patch to a slot in memory and compare. For the other kinds dx_patch_create() does
   that itself. */
static int try_flash(const dxpatch_content *from, const dxpatch_content *to, const uint8_t *patch,
                     size_t size)
{
    dxpatch_content made = {0};
    /* no limit: the user has chosen this slot */
    int error = dxpatch_run_flash(from, patch, size, UINT64_MAX, &made);
    if (!error && (made.size != to->size || memcmp(made.bytes, to->bytes, to->size) != 0))
        error = DX_PATCH_ETARGET;
    dxpatch_drop(&made);
    return error;
}

/* Call dx_patch_create(). If a patch does not reproduce NEW, its coding is defective: warn, and try
   the next coding. The last one, plain, stores NEW literally. */
static int create_in_some_coding(dx_patch_create_desc *desc, const dxpatch_content *from,
                                 const dxpatch_content *to, uint8_t *out, size_t capacity,
                                 size_t *size)
{
    static const struct {
        const char *failed;
        uint32_t next;
    } ways[] = {{"streams", DX_PATCH_CODING_RANGE}, {"range", DX_PATCH_CODING_PLAIN}};
    size_t way = desc->codings >> DX_PATCH_CODING_STREAMS & 1 ? 0 : 1;
    int error = dx_patch_create(desc, from->bytes, from->size, to->bytes, to->size, out, capacity,
                                size);
    for (; error == DX_PATCH_ETARGET && desc->kind == DX_PATCH_KIND_DELTA && way < 2; way++) {
        prog_warn("the patch in coding '%s' does not reproduce the new file, which is a bug in "
                  "dxpatch; trying the next coding", ways[way].failed);
        desc->codings = 1u << ways[way].next;
        error = dx_patch_create(desc, from->bytes, from->size, to->bytes, to->size, out, capacity,
                                size);
    }
    return error;
}

/* Make a patch of a kind of dx_patch.h. Returns its error; prints only which coding failed. */
static int create(const dxpatch_options *o, const dxpatch_content *from, const dxpatch_content *to,
                  uint8_t **out, size_t *size)
{
    dx_patch_create_desc desc = {0};
    desc.kind = o->kind ? (dx_patch_kind)o->kind : DX_PATCH_KIND_DELTA;
    desc.block_size = o->block_size;
    desc.slot_size = o->slot_size;
    desc.one_way = o->one_way;
    if (o->small) desc.apply_memory_max = DX_PATCH_FLASH_SMALL_MEMORY;
    desc.level = o->level;
    if (desc.kind == DX_PATCH_KIND_DELTA && o->format != DXPATCH_FORMAT_OLD)
        desc.codings = 1u << DX_PATCH_CODING_RANGE | 1u << DX_PATCH_CODING_STREAMS;
    size_t capacity = dx_patch_bound(&desc, from->size, to->size);
    desc.memory_size = dx_patch_create_memory_size(&desc, from->size, to->size);
    uint64_t memory_max = o->memory_size ? o->memory_size : DXPATCH_MEMORY_MAKING;
    if (desc.kind == DX_PATCH_KIND_DELTA && desc.memory_size > memory_max)
        desc.memory_size = (size_t)memory_max;
    if (!capacity || !desc.memory_size) return DX_PATCH_ETOOBIG;
    *out = malloc(capacity);
    desc.memory = malloc(desc.memory_size);
    int error = DX_PATCH_ENOMEM;
    if (*out && desc.memory)
        error = create_in_some_coding(&desc, from, to, *out, capacity, size);
    free(desc.memory);
    assert(error || *size <= capacity);
    return error;
}

static int make_patch(const dxpatch_options *o, const dxpatch_content *from,
                      const dxpatch_content *to, uint8_t **out, size_t *size)
{
    int error = create(o, from, to, out, size);
    if (error == DX_PATCH_EINVAL && o->slot_size)
        return prog_fail(PROG_USAGE,
                         "--slot-size: %llu bytes are too few: a slot must hold OLD and one more "
                         "page, and NEW",
                         (unsigned long long)o->slot_size);
    if (!error && o->kind == DX_PATCH_KIND_FLASH) error = try_flash(from, to, *out, *size);
    return error ? dxpatch_fail(error, o->new_path) : PROG_OK;
}

static int create_inner(void *user, const uint8_t *from, size_t from_size, const uint8_t *to,
                        size_t to_size, uint8_t **out, size_t *size)
{
    /* only read, never written */
    dxpatch_content a = {.bytes = (uint8_t *)(uintptr_t)from, .size = from_size};
    dxpatch_content b = {.bytes = (uint8_t *)(uintptr_t)to, .size = to_size};
    return create(user, &a, &b, out, size);
}

/* Also make the patch between the unpacked containers, and keep it if it is smaller. On any error
   the first patch is kept. */
static void try_container(const dxpatch_options *o, const dxpatch_content *from,
                          const dxpatch_content *to, uint8_t **out, size_t *size)
{
    const container_maker maker = {.form_max = (size_t)DXPATCH_TARGET_MAX,
                                   .memory_max = DXPATCH_MEMORY_MAX, .create = create_inner,
                                   .user = (void *)(uintptr_t)o};
    container_bytes sealed = {.max = *size - 1};
    if (container_diff(&maker, from->bytes, from->size, to->bytes, to->size, &sealed)) return;
    const size_t sealed_size = sealed.size;
    uint8_t *taken = container_take(&sealed);
    if (!taken) return;
    free(*out);
    *out = taken;
    *size = sealed_size;
}

int dxpatch_make(const dxpatch_options *o, const dxpatch_content *from, const dxpatch_content *to,
                 uint8_t **out, size_t *size)
{
    assert(!*out);
    prog_progress("comparing", (uint64_t)from->size + to->size, 0, false);
    if (o->kind == DXPATCH_KIND_HDE) return dxpatch_make_record(o, from, to, out, size);
    if (o->kind != DXPATCH_KIND_VCDIFF) {
        int status = make_patch(o, from, to, out, size);
        if (!status && !o->kind && o->format != DXPATCH_FORMAT_OLD)
            try_container(o, from, to, out, size);
        return status;
    }
    int error = vcdiff_encode(from->bytes, from->size, to->bytes, to->size, out, size);
    return error ? dxpatch_fail_vcdiff(error, o->new_path) : PROG_OK;
}
