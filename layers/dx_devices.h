/*  dx_devices.h - v0.3.0 - devices for dx_cas.h: memory, a write buffer, a mapped file
                           - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (DX_DEVICES_IMPLEMENTATION and DX_CAS_IMPLEMENTATION)
        #include "dx_devices.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cas.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static unsigned char disk[65536], memory[65536], buffer[4096], back[8];
        dx_devices_memory ram = {disk, sizeof disk, 0};         // a store in memory
        dx_devices_buffer buffered;
        dx_cas_desc  desc;
        dx_cas_store store;
        dx_cas_id    id;
        size_t       size = 0;
        memset(&desc, 0, sizeof desc);
        memset(&buffered, 0, sizeof buffered);
        buffered.inner = dx_devices_memory_device(&ram);        // or dx_cas_file_device(&file)
        buffered.buffer = buffer;
        buffered.capacity = sizeof buffer;
        desc.device = dx_devices_buffer_device(&buffered);      // many puts, one write
        desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_cas_open(&store, &desc) != DX_CAS_OK) return 1;
        if (dx_cas_put(&store, "hello", 5, &id) != DX_CAS_OK) return 2;
        if (dx_cas_get(&store, &id, back, sizeof back, &size) != DX_CAS_OK) return 3;
        if (dx_cas_commit(&store) != DX_CAS_OK) return 4;       // now the write is made
        dx_cas_close(&store);

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>memory  >>buffer  >>mapped  >>license

    Devices can be stacked: a mapped one on a buffered one on a file reads from the mapping, and
    writes through the buffer.

    GUARANTEES
        - Crash safety is the same as without the write buffer: its content reaches the inner device
          in order, as one write, before every sync and barrier.
        - No allocation, no globals, no recursion, no printing.
    LIMITS      A device belongs to one store. Other processes do not see
                the content of the write buffer.
    SIZE        code: x86-64 1,833, Cortex-M0 1,174; objects: dx_devices_memory 24,
                dx_devices_buffer 88, dx_devices_mapped 72
    THREADS     One at a time for each device, as for its store.
    CONFIG      DX_DEVICES_STATIC     functions become static
                DX_DEVICES_API        how functions are declared
                DX_DEVICES_ASSERT(c)  <assert.h> when hosted
                DX_DEVICES_MEMCPY, DX_DEVICES_MEMSET
    ERRORS      dx_devices_error: 0 = ok, negative = reason, with the values of dx_cas_error;
                dx_devices_error_name() returns its name. An error of the inner device is passed
                through.
    OWNERSHIP   The caller owns the devices and their buffers; both must outlive the store.
    FORMAT      None: a device stores bytes.
*/
#ifndef DX_DEVICES_H
#define DX_DEVICES_H

#define DX_DEVICES_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_H
  #include "../dx_cas.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_DEVICES_API
  #ifndef DX_DEVICES_STATIC
    #define DX_DEVICES_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_DEVICES_API static __attribute__((unused))
  #else
    #define DX_DEVICES_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; the values of dx_cas.h, which receives them. */
#define DX_DEVICES_ERRORS(X)                                                                       \
    X(0, OK)        /*  */                                                                         \
    X(-1, EINVAL)   /* an argument breaks its contract */                                          \
    X(-3, ENOSPACE) /* the memory is full */

typedef enum dx_devices_error {
#define DX_DEVICES_P_ENUM(value, constant) DX_DEVICES_##constant = value,
    DX_DEVICES_ERRORS(DX_DEVICES_P_ENUM)
#undef DX_DEVICES_P_ENUM
} dx_devices_error;

/* A device in memory. Sync does nothing. */
typedef struct dx_devices_memory { /* {data, capacity, size} */
    void  *data;
    size_t capacity;
    size_t size; /* bytes in use */
} dx_devices_memory;

/* A write-combining device: consecutive writes are collected in the caller's buffer and passed on
   as one write, in their order: when the buffer is full, before a sync or barrier, and before a
   write elsewhere. So a put makes no system call, and a commit with one sync (DX_CAS_FULL_ONCE)
   makes one write and that sync. Reads see the content of the buffer.
   - The inner device allocates room only when the buffer is written out: DX_CAS_ENOSPACE may come
     from a later put, or from the commit. With desc.preallocate it comes from the put.
   - A commit with DX_CAS_NONE makes no sync: it survives a process crash only once
     dx_devices_buffer_flush() has returned 0. */
typedef struct dx_devices_buffer { /* {device, buffer, capacity, 0, 0} */
    dx_cas_device inner;
    void    *buffer;   /* at least a few records large; 64 KiB hold many */
    size_t   capacity; /* bytes of it */
    uint64_t place_;   /* private: place of the buffered bytes on the device, */
    size_t   fill_;    /* and their number */
} dx_devices_buffer;

/* A memory-mapped device: a file that is mapped (shared), or addressable flash. Reads beyond the
   mapping and all writes go to the inner device. The first `size` bytes must always equal those of
   the inner device, also after later writes. Both fields may be changed between calls, for example
   when the file has grown.
   - Risk: when another process truncates the file, or the disk fails to read, the process receives
     SIGBUS. Leave size 0 where that may happen. */
typedef struct dx_devices_mapped { /* {device, bytes, size} */
    dx_cas_device inner;
    const void *bytes;
    uint64_t    size; /* mapped bytes; 0: not mapped yet */
} dx_devices_mapped;

/* >>api ---------------------------------------------------------------- */
/* "DX_DEVICES_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_DEVICES_API const char *dx_devices_error_name(int error);

/* For dx_cas_desc.device. The argument must outlive the store. A full memory device returns
   DX_CAS_ENOSPACE. */
DX_DEVICES_API dx_cas_device dx_devices_memory_device(dx_devices_memory *m);
DX_DEVICES_API dx_cas_device dx_devices_buffer_device(dx_devices_buffer *b);
DX_DEVICES_API dx_cas_device dx_devices_mapped_device(dx_devices_mapped *v);

/* Write out the buffer; required before the buffer or the inner device goes away. After an error of
   the inner device the bytes are still in the buffer. */
DX_DEVICES_API int dx_devices_buffer_flush(dx_devices_buffer *b);

#ifdef __cplusplus
}
#endif
#endif /* DX_DEVICES_H */

#if (defined(DX_DEVICES_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_DEVICES_IMPLEMENTED)
#define DX_DEVICES_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_DEVICES_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_DEVICES_ASSERT(c) assert(c)
  #else
    #define DX_DEVICES_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_DEVICES_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_DEVICES_P_LIBC(name) name
#endif
#ifndef DX_DEVICES_MEMCPY
  #define DX_DEVICES_MEMCPY DX_DEVICES_P_LIBC(memcpy)
#endif
#ifndef DX_DEVICES_MEMSET
  #define DX_DEVICES_MEMSET DX_DEVICES_P_LIBC(memset)
#endif

#define DX_DEVICES_P_TRY(call)                                                                     \
    do {                                                                                           \
        int try_ = (call);                                                                         \
        if (try_ != DX_DEVICES_OK) return try_;                                                    \
    } while (0)

DX_DEVICES_API const char *dx_devices_error_name(int error)
{
    switch (error) {
#define DX_DEVICES_P_NAME(value, constant)                                                         \
    case value: return "DX_DEVICES_" #constant;
        DX_DEVICES_ERRORS(DX_DEVICES_P_NAME)
#undef DX_DEVICES_P_NAME
    default: return "unknown error";
    }
}

/* >>memory --------------------------------------------------------------
   An array as a device, for tests and for stores that live as long as the program:

       data   [ bytes in use ............ | unused .......... ]
              0                         size             capacity

   A write beyond the end fills the gap with zeros, as a file would. */
static int dx_devices_p_memory_read(void *user, uint64_t offset, void *out, size_t size,
                                    size_t *got)
{
    const dx_devices_memory *m = (const dx_devices_memory *)user;
    size_t there;
    DX_DEVICES_ASSERT(m->size <= m->capacity);
    *got = 0;
    if (offset >= m->size) return DX_DEVICES_OK;
    there = m->size - (size_t)offset;
    *got = size < there ? size : there;
    if (*got) DX_DEVICES_MEMCPY(out, (const uint8_t *)m->data + (size_t)offset, *got);
    return DX_DEVICES_OK;
}

static int dx_devices_p_memory_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_devices_memory *m = (dx_devices_memory *)user;
    uint8_t *bytes = (uint8_t *)m->data;
    size_t at, end;
    DX_DEVICES_ASSERT(m->size <= m->capacity);
    if (offset > m->capacity || size > m->capacity - (size_t)offset) return DX_DEVICES_ENOSPACE;
    at = (size_t)offset;
    end = at + size;
    if (at > m->size) DX_DEVICES_MEMSET(bytes + m->size, 0, at - m->size);
    if (size) DX_DEVICES_MEMCPY(bytes + at, data, size);
    if (end > m->size) m->size = end;
    return DX_DEVICES_OK;
}

static int dx_devices_p_memory_sync(void *user)
{
    (void)user;
    return DX_DEVICES_OK;
}

static int dx_devices_p_memory_size(void *user, uint64_t *size)
{
    const dx_devices_memory *m = (const dx_devices_memory *)user;
    *size = m->size;
    return DX_DEVICES_OK;
}

static int dx_devices_p_memory_truncate(void *user, uint64_t size)
{
    dx_devices_memory *m = (dx_devices_memory *)user;
    if (size < m->size) m->size = (size_t)size;
    return DX_DEVICES_OK;
}

DX_DEVICES_API dx_cas_device dx_devices_memory_device(dx_devices_memory *m)
{
    dx_cas_device d;
    DX_DEVICES_ASSERT(m && m->size <= m->capacity && (m->data || m->capacity == 0));
    d.read = dx_devices_p_memory_read;
    d.write = dx_devices_p_memory_write;
    d.sync = dx_devices_p_memory_sync;
    d.size = dx_devices_p_memory_size;
    d.truncate = dx_devices_p_memory_truncate;
    d.user = m;
    d.barrier = NULL;
    return d;
}

/* >>buffer --------------------------------------------------------------
   The buffer holds one run of bytes, which belongs at place_ of the inner device:

       inner  [ written ............... ]
       buffer                      [ fill_ bytes ]          the run may overlap written bytes,
                                   place_                   or begin after their end

   A write that continues the run is appended; any other write flushes the run first, so that the
   inner device sees all writes in their original order. */
DX_DEVICES_API int dx_devices_buffer_flush(dx_devices_buffer *b)
{
    if (!b) return DX_DEVICES_EINVAL;
    DX_DEVICES_ASSERT(b->fill_ <= b->capacity);
    if (b->fill_) {
        DX_DEVICES_P_TRY(b->inner.write(b->inner.user, b->place_, b->buffer, b->fill_));
        b->fill_ = 0;
    }
    return DX_DEVICES_OK;
}

/* A read inside the run is a copy; one outside of it goes to the inner device; one that overlaps
   both flushes the run first. */
static int dx_devices_p_buffer_read(void *user, uint64_t offset, void *out, size_t size,
                                    size_t *got)
{
    dx_devices_buffer *b = (dx_devices_buffer *)user;
    uint64_t end = b->place_ + b->fill_;
    bool begins_within = b->fill_ && offset >= b->place_ && offset < end;
    DX_DEVICES_ASSERT(b->fill_ <= b->capacity);
    if (begins_within && size <= end - offset) {
        const uint8_t *from = (const uint8_t *)b->buffer + (size_t)(offset - b->place_);
        if (size) DX_DEVICES_MEMCPY(out, from, size);
        *got = size;
        return DX_DEVICES_OK;
    }
    *got = 0;
    if (offset < end && (offset >= b->place_ || size > b->place_ - offset)) {
        DX_DEVICES_P_TRY(dx_devices_buffer_flush(b)); /* each has a part of it */
    }
    return b->inner.read(b->inner.user, offset, out, size, got);
}

/* Append to the run, or start a new one. */
static int dx_devices_p_buffer_write(void *user, uint64_t offset, const void *data, size_t size)
{
    dx_devices_buffer *b = (dx_devices_buffer *)user;
    bool continues = offset == b->place_ + b->fill_ && size <= b->capacity - b->fill_;
    DX_DEVICES_ASSERT(b->fill_ <= b->capacity);
    if (b->fill_ && !continues) DX_DEVICES_P_TRY(dx_devices_buffer_flush(b));
    if (size >= b->capacity) { /* it would fill the buffer alone: write through */
        DX_DEVICES_ASSERT(b->fill_ == 0);
        return b->inner.write(b->inner.user, offset, data, size);
    }
    if (b->fill_ == 0) b->place_ = offset;
    if (size) DX_DEVICES_MEMCPY((uint8_t *)b->buffer + b->fill_, data, size);
    b->fill_ += size;
    return DX_DEVICES_OK;
}

/* A sync covers all writes: flush the run first. */
static int dx_devices_p_buffer_sync(void *user)
{
    dx_devices_buffer *b = (dx_devices_buffer *)user;
    DX_DEVICES_P_TRY(dx_devices_buffer_flush(b));
    return b->inner.sync(b->inner.user);
}

/* A barrier orders writes on the inner device, so flush the run first. */
static int dx_devices_p_buffer_barrier(void *user)
{
    dx_devices_buffer *b = (dx_devices_buffer *)user;
    DX_DEVICES_P_TRY(dx_devices_buffer_flush(b));
    return b->inner.barrier(b->inner.user);
}

/* Includes the run, which the inner device does not have yet. */
static int dx_devices_p_buffer_size(void *user, uint64_t *size)
{
    const dx_devices_buffer *b = (const dx_devices_buffer *)user;
    DX_DEVICES_P_TRY(b->inner.size(b->inner.user, size));
    if (b->fill_ && *size < b->place_ + b->fill_) *size = b->place_ + b->fill_;
    return DX_DEVICES_OK;
}

/* Truncate the run, and the inner device if it is longer. */
static int dx_devices_p_buffer_truncate(void *user, uint64_t size)
{
    dx_devices_buffer *b = (dx_devices_buffer *)user;
    uint64_t inner_size = 0;
    if (size <= b->place_) b->fill_ = 0;
    else if (size - b->place_ < b->fill_) b->fill_ = (size_t)(size - b->place_);
    DX_DEVICES_P_TRY(b->inner.size(b->inner.user, &inner_size));
    if (inner_size <= size) return DX_DEVICES_OK; /* the removed bytes were only in the buffer */
    return b->inner.truncate(b->inner.user, size);
}

DX_DEVICES_API dx_cas_device dx_devices_buffer_device(dx_devices_buffer *b)
{
    dx_cas_device d;
    DX_DEVICES_ASSERT(b && (b->buffer || b->capacity == 0));
    d.read = dx_devices_p_buffer_read;
    d.write = dx_devices_p_buffer_write;
    d.sync = dx_devices_p_buffer_sync;
    d.size = dx_devices_p_buffer_size;
    d.truncate = dx_devices_p_buffer_truncate;
    d.user = b;
    d.barrier = b->inner.barrier ? dx_devices_p_buffer_barrier : NULL;
    return d;
}

/* >>mapped --------------------------------------------------------------
   Reads come from a mapping of the file, so that a get makes no system call; all other calls go to
   the inner device. So do reads after the mapping's end, until it is extended:

       inner  [ ................................ | ........ ]
       bytes  [ the same bytes, at an address    ]            a read that ends here is a copy;
              0                                size           any other one asks the inner device */
static int dx_devices_p_mapped_read(void *user, uint64_t offset, void *out, size_t size,
                                    size_t *got)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    if (offset > v->size || size > v->size - offset) {
        return v->inner.read(v->inner.user, offset, out, size, got);
    }
    DX_DEVICES_ASSERT(v->bytes || size == 0);
    if (size) DX_DEVICES_MEMCPY(out, (const uint8_t *)v->bytes + (size_t)offset, size);
    *got = size;
    return DX_DEVICES_OK;
}

static int dx_devices_p_mapped_write(void *user, uint64_t offset, const void *data, size_t size)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    return v->inner.write(v->inner.user, offset, data, size);
}

static int dx_devices_p_mapped_sync(void *user)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    return v->inner.sync(v->inner.user);
}

static int dx_devices_p_mapped_barrier(void *user)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    return v->inner.barrier(v->inner.user);
}

static int dx_devices_p_mapped_size(void *user, uint64_t *size)
{
    const dx_devices_mapped *v = (const dx_devices_mapped *)user;
    return v->inner.size(v->inner.user, size);
}

static int dx_devices_p_mapped_truncate(void *user, uint64_t size)
{
    dx_devices_mapped *v = (dx_devices_mapped *)user;
    if (size < v->size) v->size = size; /* do not touch pages beyond the file's end */
    return v->inner.truncate(v->inner.user, size);
}

DX_DEVICES_API dx_cas_device dx_devices_mapped_device(dx_devices_mapped *v)
{
    dx_cas_device d;
    DX_DEVICES_ASSERT(v && (v->bytes || v->size == 0));
    d.read = dx_devices_p_mapped_read;
    d.write = dx_devices_p_mapped_write;
    d.sync = dx_devices_p_mapped_sync;
    d.size = dx_devices_p_mapped_size;
    d.truncate = dx_devices_p_mapped_truncate;
    d.user = v;
    d.barrier = v->inner.barrier ? dx_devices_p_mapped_barrier : NULL;
    return d;
}

#undef DX_DEVICES_P_TRY
#endif /* DX_DEVICES_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
