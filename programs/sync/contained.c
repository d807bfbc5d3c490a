/* See contained.h. One thread makes all patches, so its time is limited: recompressing large
   contents of xz and zstd can take minutes. Such an attempt is abandoned, and the client gets a
   patch between the containers as they are. Memory is limited by the sizes of the forms. */
#include "contained.h"

#include "wire.h"

#include <assert.h>
#include <stdlib.h>

enum {
    TIME_MAX_S   = 60,
    CREATING_MAX = 52 << 20, /* bytes for the inner patch; with less memory the search is coarser */
    STREAMS_MAX  = 8 << 20,   /* bytes of a form: above that, this coding takes too long */
    SIZE_MIN     = CONTAINER_HEADER_SIZE + CONTAINER_CHECK_SIZE + DX_PATCH_HEADER_SIZE
};

static bool is_too_late(void *user) { return prog_now_ns() > *(const int64_t *)user; }

/* The receivers of these patches support all delta codings. The call cannot be cancelled, so
   it must be fast. */
static int create(void *user, const uint8_t *from, size_t from_size, const uint8_t *to,
                  size_t to_size, uint8_t **out, size_t *size)
{
    dx_patch_create_desc desc = {.codings = 1u << DX_PATCH_CODING_RANGE,
                                 .apply_memory_max = DXUP_APPLYING_MAX};
    if (from_size <= STREAMS_MAX && to_size <= STREAMS_MAX)
        desc.codings |= 1u << DX_PATCH_CODING_STREAMS;
    const size_t capacity = dx_patch_bound(&desc, from_size, to_size);
    if (is_too_late(user)) return DX_PATCH_ECANCELED;
    desc.memory_size = dx_patch_create_memory_size(&desc, from_size, to_size);
    if (!capacity || !desc.memory_size) return DX_PATCH_ETOOBIG;
    if (desc.memory_size > CREATING_MAX) desc.memory_size = CREATING_MAX;
    desc.memory = malloc(desc.memory_size);
    *out = malloc(capacity);
    int error = DX_PATCH_ENOMEM;
    if (desc.memory && *out)
        error = dx_patch_create(&desc, from, from_size, to, to_size, *out, capacity, size);
    free(desc.memory);
    return error;
}

uint8_t *dxup_contained_make(const uint8_t *base, size_t base_size, const uint8_t *target,
                             size_t target_size, unsigned kinds, size_t size_max, size_t *size)
{
    int64_t end_ns = prog_now_ns() + (int64_t)TIME_MAX_S * 1000000000;
    const container_cancel cancel = {is_too_late, &end_ns};
    const container_maker maker = {.kinds = kinds, .form_max = DXUP_CONTAINER_MAX,
                                   .memory_max = DXUP_CONTAINER_MEMORY, .cancel = &cancel,
                                   .create = create, .user = &end_ns};
    assert(kinds);
    if (size_max <= SIZE_MIN) return NULL;
    container_bytes patch = {.max = size_max - 1};
    if (container_diff(&maker, base, base_size, target, target_size, &patch)) return NULL;
    *size = patch.size;
    return container_take(&patch);
}
