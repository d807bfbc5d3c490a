/*  devices.h - more devices for the stores of dx_cas.h: memory

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too. MIT-0 or public domain, as dx_cas.h.

        dx_cas_memory ram = {bytes, sizeof bytes, 0};       // a store in memory
        desc.device = dx_cas_memory_device(&ram);
*/
#ifndef DX_CAS_DEVICES_H
#define DX_CAS_DEVICES_H

#include "../../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_cas_memory { /* the memory device: {data, capacity, size}. sync does nothing */
    void  *data;
    size_t capacity, size; /* size: bytes in use */
} dx_cas_memory;
/* *m must outlive the store. DX_CAS_ENOSPACE when capacity is used up. */
DX_CAS_API dx_cas_device dx_cas_memory_device(dx_cas_memory *m);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_DEVICES_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CAS_DEVICES_IMPLEMENTED)
#define DX_CAS_DEVICES_IMPLEMENTED

static int dx_cas_p_memory_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    const dx_cas_memory *m = (const dx_cas_memory *)user;
    *got = 0;
    if (offset >= m->size) return DX_CAS_OK;
    *got = size < m->size - (size_t)offset ? size : m->size - (size_t)offset;
    if (*got) DX_CAS_MEMCPY(out, (const uint8_t *)m->data + (size_t)offset, *got);
    return DX_CAS_OK;
}

static int dx_cas_p_memory_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_cas_memory *m = (dx_cas_memory *)user;
    uint8_t *base = (uint8_t *)m->data;
    if (offset > m->capacity || size > m->capacity - (size_t)offset) return DX_CAS_ENOSPACE;
    if (offset > m->size) DX_CAS_MEMSET(base + m->size, 0, (size_t)offset - m->size);
    if (size) DX_CAS_MEMCPY(base + (size_t)offset, data, size);
    if ((size_t)offset + size > m->size) m->size = (size_t)offset + size;
    return DX_CAS_OK;
}

static int dx_cas_p_memory_sync(void *user)
{
    (void)user;
    return DX_CAS_OK;
}

static int dx_cas_p_memory_size(void *user, uint64_t *size)
{
    *size = ((const dx_cas_memory *)user)->size;
    return DX_CAS_OK;
}

static int dx_cas_p_memory_truncate(void *user, uint64_t size)
{
    dx_cas_memory *m = (dx_cas_memory *)user;
    if (size < m->size) m->size = (size_t)size;
    return DX_CAS_OK;
}

DX_CAS_API dx_cas_device dx_cas_memory_device(dx_cas_memory *m)
{
    dx_cas_device d = {dx_cas_p_memory_read, dx_cas_p_memory_write, dx_cas_p_memory_sync,
                       dx_cas_p_memory_size, dx_cas_p_memory_truncate, m, NULL};
    DX_CAS_ASSERT(m && m->size <= m->capacity && (m->data || m->capacity == 0));
    return d;
}

#endif /* DX_CAS_IMPLEMENTATION */
