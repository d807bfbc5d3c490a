/*  dx_versions.h - the last versions of something, so that a server can make a patch from what a
            client has, beside dx_patch.h

    Include it behind dx_patch.h; where DX_PATCH_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too. MIT-0 or public domain, as dx_patch.h. Nothing is allocated, no data is
    copied: what is kept is borrowed.
*/
#ifndef DX_VERSIONS_H
#define DX_VERSIONS_H

#include "../dx_patch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_versions_entry {
    const void *data;
    size_t size;
    uint8_t hash[DX_PATCH_HASH_SIZE];
} dx_versions_entry;

typedef struct dx_versions { /* caller-allocated; fields are private */
    dx_versions_entry *slots_;
    size_t capacity_, count_, first_;
} dx_versions;

/* Keep the last `capacity` versions in slots (borrowed while the object is used). */
DX_PATCH_API int dx_versions_init(dx_versions *v, dx_versions_entry *slots,
                                        size_t capacity);

/* Add a version; data is borrowed until it is evicted. The oldest one goes when all slots are
   taken; *evicted (may be NULL) receives it, or zeros. One that is kept already changes nothing. */
DX_PATCH_API int dx_versions_add(dx_versions *v, const void *data, size_t size,
                                       dx_versions_entry *evicted);

/* The version with this hash (DX_PATCH_HASH_SIZE bytes), or NULL. */
DX_PATCH_API const dx_versions_entry *dx_versions_find(const dx_versions *v,
                                                            const uint8_t *hash);

/* dx_patch_create() from the kept version with this hash to target; ENOTFOUND. */
DX_PATCH_API int dx_versions_patch(const dx_versions *v, const uint8_t *base_hash,
                                         const dx_patch_create_desc *desc, const void *target,
                                         size_t target_size, void *out, size_t out_capacity,
                                         size_t *out_size);

#ifdef __cplusplus
}
#endif
#endif /* DX_VERSIONS_H */

#if (defined(DX_PATCH_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_VERSIONS_IMPLEMENTED)
#define DX_VERSIONS_IMPLEMENTED

DX_PATCH_API int dx_versions_init(dx_versions *v, dx_versions_entry *slots,
                                        size_t capacity)
{
    if (!v || !slots || !capacity) return DX_PATCH_EINVAL;
    v->slots_ = slots;
    v->capacity_ = capacity;
    v->count_ = v->first_ = 0;
    return DX_PATCH_OK;
}

DX_PATCH_API const dx_versions_entry *dx_versions_find(const dx_versions *v,
                                                            const uint8_t *hash)
{
    size_t i;
    for (i = 0; v && hash && i < v->count_; i++)
        if (DX_PATCH_MEMCMP(v->slots_[i].hash, hash, DX_PATCH_HASH_SIZE) == 0) return v->slots_ + i;
    return NULL;
}

DX_PATCH_API int dx_versions_add(dx_versions *v, const void *data, size_t size,
                                       dx_versions_entry *evicted)
{
    dx_versions_entry one, *slot;
    if (!v || (!data && size)) return DX_PATCH_EINVAL;
    DX_PATCH_MEMSET(&one, 0, sizeof one);
    if (evicted) *evicted = one;
    one.data = data;
    one.size = size;
    dx_patch_hash(data, size, one.hash);
    if (dx_versions_find(v, one.hash)) return DX_PATCH_OK;
    slot = v->slots_ + (v->first_ + v->count_) % v->capacity_;
    if (v->count_ < v->capacity_) {
        v->count_++;
    } else {
        if (evicted) *evicted = *slot;
        v->first_ = (v->first_ + 1) % v->capacity_;
    }
    *slot = one;
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_versions_patch(const dx_versions *v, const uint8_t *base_hash,
                                         const dx_patch_create_desc *desc, const void *target,
                                         size_t target_size, void *out, size_t out_capacity,
                                         size_t *out_size)
{
    const dx_versions_entry *base = dx_versions_find(v, base_hash);
    if (!base) return v && base_hash ? DX_PATCH_ENOTFOUND : DX_PATCH_EINVAL;
    return dx_patch_create(desc, base->data, base->size, target, target_size, out, out_capacity,
                           out_size);
}
#endif /* DX_PATCH_IMPLEMENTATION */
