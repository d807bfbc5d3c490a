/*  dx_devices.h - more devices for the stores of dx_cas.h: memory, one that gathers writes, and one
                that reads where the bytes already are

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too. MIT-0 or public domain, as dx_cas.h.

        dx_devices_memory ram = {bytes, sizeof bytes, 0};       // a store in memory
        desc.device = dx_devices_memory_device(&ram);

        dx_devices_buffer gather = {dx_cas_file_device(&file), bytes, sizeof bytes, 0, 0};
        desc.device = dx_devices_buffer_device(&gather);        // many puts, one write

        dx_devices_mapped view = {dx_cas_file_device(&file), mapped, size};
        desc.device = dx_devices_mapped_device(&view);            // a get calls no system

    Nothing here is allocated, and nothing recurses.
*/
#ifndef DX_DEVICES_H
#define DX_DEVICES_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_devices_memory { /* the memory device: {data, capacity, size}. sync does nothing */
    void  *data;
    size_t capacity, size; /* size: bytes in use */
} dx_devices_memory;
/* *m must outlive the store. DX_CAS_ENOSPACE when capacity is used up. */
DX_CAS_API dx_cas_device dx_devices_memory_device(dx_devices_memory *m);

/* Keeps writes that follow one another in the caller's buffer, and hands them on in their order, as
   one, when it is full, before a sync or barrier, and before any other write. So what a store may
   look like after a cut or a kill stays what it was, but a put costs no call of the system, and a
   commit with one sync (DX_CAS_FULL_ONCE) one write and that sync. What it still holds is read from
   there; other processes do not see it yet.
   - The inner device is asked for room when it is written to: DX_CAS_ENOSPACE may come from a later
     put or from the commit. With desc.preallocate room was made, and then it comes from the put.
   - A commit with DX_CAS_NONE asks for no sync: it survives a kill behind dx_devices_buffer_flush(). */
typedef struct dx_devices_buffer { /* {device, buffer, capacity, 0, 0} */
    dx_cas_device inner;
    void    *buffer;   /* at least a few records large, 64 KiB are many */
    size_t   capacity; /* bytes */
    uint64_t place_;   /* private: what the buffer holds belongs there; */
    size_t   fill_;    /* so many bytes */
} dx_devices_buffer;
/* *g and its buffer must outlive the store. */
DX_CAS_API dx_cas_device dx_devices_buffer_device(dx_devices_buffer *g);
/* Hand on what it holds; also before it is let go of. After an error it holds it still. */
DX_CAS_API int dx_devices_buffer_flush(dx_devices_buffer *g);

/* Reads what lies in memory already: a file that is mapped (shared), flash with addresses. The
   rest, and everything that is written, goes to the inner device. bytes must show what that holds
   in its first `size` bytes, also what it is given later. Both may be changed between calls, as
   when the file has grown.
   - A mapping has a price: when another process shortens the file, or its disk cannot read, the
     system kills who reads there. Leave size 0 where that may happen. */
typedef struct dx_devices_mapped { /* {device, bytes, size} */
    dx_cas_device inner;
    const void *bytes;
    uint64_t    size; /* bytes; 0: none yet */
} dx_devices_mapped;
/* *v must outlive the store. */
DX_CAS_API dx_cas_device dx_devices_mapped_device(dx_devices_mapped *v);

#ifdef __cplusplus
}
#endif
#endif /* DX_DEVICES_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_DEVICES_IMPLEMENTED)
#define DX_DEVICES_IMPLEMENTED

static int dx_devices_p_memory_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    const dx_devices_memory *m = (const dx_devices_memory *)user;
    *got = 0;
    if (offset >= m->size) return DX_CAS_OK;
    *got = size < m->size - (size_t)offset ? size : m->size - (size_t)offset;
    if (*got) DX_CAS_MEMCPY(out, (const uint8_t *)m->data + (size_t)offset, *got);
    return DX_CAS_OK;
}

static int dx_devices_p_memory_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_devices_memory *m = (dx_devices_memory *)user;
    uint8_t *base = (uint8_t *)m->data;
    if (offset > m->capacity || size > m->capacity - (size_t)offset) return DX_CAS_ENOSPACE;
    if (offset > m->size) DX_CAS_MEMSET(base + m->size, 0, (size_t)offset - m->size);
    if (size) DX_CAS_MEMCPY(base + (size_t)offset, data, size);
    if ((size_t)offset + size > m->size) m->size = (size_t)offset + size;
    return DX_CAS_OK;
}

static int dx_devices_p_memory_sync(void *user)
{
    (void)user;
    return DX_CAS_OK;
}

static int dx_devices_p_memory_size(void *user, uint64_t *size)
{
    *size = ((const dx_devices_memory *)user)->size;
    return DX_CAS_OK;
}

static int dx_devices_p_memory_truncate(void *user, uint64_t size)
{
    dx_devices_memory *m = (dx_devices_memory *)user;
    if (size < m->size) m->size = (size_t)size;
    return DX_CAS_OK;
}

DX_CAS_API dx_cas_device dx_devices_memory_device(dx_devices_memory *m)
{
    dx_cas_device d = {dx_devices_p_memory_read, dx_devices_p_memory_write, dx_devices_p_memory_sync,
                       dx_devices_p_memory_size, dx_devices_p_memory_truncate, m, NULL};
    DX_CAS_ASSERT(m && m->size <= m->capacity && (m->data || m->capacity == 0));
    return d;
}

DX_CAS_API int dx_devices_buffer_flush(dx_devices_buffer *g)
{
    if (!g) return DX_CAS_EINVAL;
    if (g->fill_) {
        DX_CAS_P_TRY(g->inner.write(g->inner.user, g->place_, g->buffer, g->fill_));
        g->fill_ = 0;
    }
    return DX_CAS_OK;
}

static int dx_devices_p_buffer_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    uint64_t end = g->place_ + g->fill_;
    if (g->fill_ && offset >= g->place_ && offset < end && size <= end - offset) {
        if (size) DX_CAS_MEMCPY(out, (uint8_t *)g->buffer + (size_t)(offset - g->place_), size);
        *got = size;
        return DX_CAS_OK;
    }
    *got = 0;
    if (offset < end && (offset >= g->place_ || size > g->place_ - offset)) { /* both have a part */
        DX_CAS_P_TRY(dx_devices_buffer_flush(g));
    }
    return g->inner.read(g->inner.user, offset, out, size, got);
}

static int dx_devices_p_buffer_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    if (g->fill_ && (offset != g->place_ + g->fill_ || size > g->capacity - g->fill_)) {
        DX_CAS_P_TRY(dx_devices_buffer_flush(g));
    }
    if (size >= g->capacity) return g->inner.write(g->inner.user, offset, data, size);
    if (g->fill_ == 0) g->place_ = offset;
    if (size) DX_CAS_MEMCPY((uint8_t *)g->buffer + g->fill_, data, size);
    g->fill_ += size;
    return DX_CAS_OK;
}

static int dx_devices_p_buffer_sync(void *user)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    DX_CAS_P_TRY(dx_devices_buffer_flush(g));
    return g->inner.sync(g->inner.user);
}

static int dx_devices_p_buffer_barrier(void *user)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    DX_CAS_P_TRY(dx_devices_buffer_flush(g));
    return g->inner.barrier(g->inner.user);
}

static int dx_devices_p_buffer_size(void *user, uint64_t *size)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    DX_CAS_P_TRY(g->inner.size(g->inner.user, size));
    if (g->fill_ && *size < g->place_ + g->fill_) *size = g->place_ + g->fill_;
    return DX_CAS_OK;
}

static int dx_devices_p_buffer_truncate(void *user, uint64_t size)
{
    dx_devices_buffer *g = (dx_devices_buffer *)user;
    uint64_t inner = 0;
    if (size <= g->place_) g->fill_ = 0;
    else if (size - g->place_ < g->fill_) g->fill_ = (size_t)(size - g->place_);
    DX_CAS_P_TRY(g->inner.size(g->inner.user, &inner));
    return inner > size ? g->inner.truncate(g->inner.user, size) : DX_CAS_OK;
}

DX_CAS_API dx_cas_device dx_devices_buffer_device(dx_devices_buffer *g)
{
    dx_cas_device d = {dx_devices_p_buffer_read, dx_devices_p_buffer_write, dx_devices_p_buffer_sync,
                       dx_devices_p_buffer_size, dx_devices_p_buffer_truncate, g, NULL};
    DX_CAS_ASSERT(g && (g->buffer || g->capacity == 0));
    if (g->inner.barrier) d.barrier = dx_devices_p_buffer_barrier;
    return d;
}

static int dx_devices_p_mapped_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    if (offset > v->size || size > v->size - offset)
        return v->inner.read(v->inner.user, offset, out, size, got);
    if (size) DX_CAS_MEMCPY(out, (const uint8_t *)v->bytes + (size_t)offset, size);
    *got = size;
    return DX_CAS_OK;
}

static int dx_devices_p_mapped_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    return v->inner.write(v->inner.user, offset, data, size);
}

static int dx_devices_p_mapped_sync(void *user)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    return v->inner.sync(v->inner.user);
}

static int dx_devices_p_mapped_barrier(void *user)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    return v->inner.barrier(v->inner.user);
}

static int dx_devices_p_mapped_size(void *user, uint64_t *size)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    return v->inner.size(v->inner.user, size);
}

static int dx_devices_p_mapped_truncate(void *user, uint64_t size)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    if (size < v->size) v->size = size; /* what was mapped behind it is no longer there */
    return v->inner.truncate(v->inner.user, size);
}

DX_CAS_API dx_cas_device dx_devices_mapped_device(dx_devices_mapped *v)
{
    dx_cas_device d = {dx_devices_p_mapped_read, dx_devices_p_mapped_write, dx_devices_p_mapped_sync,
                       dx_devices_p_mapped_size, dx_devices_p_mapped_truncate, v, NULL};
    DX_CAS_ASSERT(v && (v->bytes || v->size == 0));
    if (v->inner.barrier) d.barrier = dx_devices_p_mapped_barrier;
    return d;
}

#endif /* DX_CAS_IMPLEMENTATION */
