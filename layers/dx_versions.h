/*  dx_versions.h - v0.3.0 - the last versions of something, and patches from each of them
                            - MIT-0 or public domain, see end of file

    A server that keeps the last few versions of a file can answer a client that has one of them
    with a patch of dx_patch.h from that version to the newest.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION          (DX_VERSIONS_IMPLEMENTATION and DX_PATCH_IMPLEMENTATION)
        #include "dx_versions.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_patch.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static const char old[] = "version one of a text", now[] = "version two of a text";
        static unsigned char patch[512], memory[1 << 17];
        uint8_t have[DX_PATCH_HASH_SIZE];   // the client's version
        size_t  size = 0;
        dx_patch_create_desc desc;
        dx_versions_entry slots[4];
        dx_versions versions;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_versions_init(&versions, slots, 4) != DX_VERSIONS_OK) return 1;
        if (dx_versions_add(&versions, old, sizeof old, NULL) != DX_VERSIONS_OK) return 2;
        if (dx_versions_add(&versions, now, sizeof now, NULL) != DX_VERSIONS_OK) return 3;
        dx_patch_hash(old, sizeof old, have);
        if (dx_versions_patch(&versions, have, &desc, now, sizeof now, patch, sizeof patch,
                              &size) != DX_VERSIONS_OK) {
            return 4;                       // ENOTFOUND: too old, send the whole file
        }
        if (size == 0 || !dx_versions_find(&versions, have)) return 5;

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>ring  >>license

    GUARANTEES
        - No allocation, no globals, no recursion. Content is borrowed, not copied.
        - A new version evicts the oldest one if all slots are in use. Adding a version that is
          already there, by its hash, changes nothing.
    LIMITS      dx_versions_find() is a linear search: meant for tens of versions.
                DX_PATCH_NO_CREATE must not be defined.
    SIZE        code: x86-64 945, Cortex-M0 554; objects: dx_versions 32, dx_versions_entry 48
    THREADS     One at a time for each dx_versions.
    CONFIG      DX_VERSIONS_STATIC     functions become static
                DX_VERSIONS_API        how functions are declared
                DX_VERSIONS_ASSERT(c)  <assert.h> when hosted
                DX_VERSIONS_MEMCMP, DX_VERSIONS_MEMSET
    ERRORS      dx_versions_error: 0 = ok, negative = reason, with the values of dx_patch_error;
                dx_versions_error_name() returns its name.
    OWNERSHIP   Slots are borrowed while the object is used, a version until it is evicted.
    FORMAT      docs/formats/patch.md: the patches of dx_patch_create().
*/
#ifndef DX_VERSIONS_H
#define DX_VERSIONS_H

#define DX_VERSIONS_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_PATCH_H
  #include "../dx_patch.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_VERSIONS_API
  #ifndef DX_VERSIONS_STATIC
    #define DX_VERSIONS_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_VERSIONS_API static __attribute__((unused))
  #else
    #define DX_VERSIONS_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifdef DX_PATCH_NO_CREATE
  #error "dx_versions.h makes patches: do not define DX_PATCH_NO_CREATE"
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; the values of dx_patch.h, whose errors are passed on. */
#define DX_VERSIONS_ERRORS(X)                                                                      \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)    /* an argument breaks its contract */                                         \
    X(-2, ENOMEM)    /* the memory of the description is too small: dx_patch_create() */           \
    X(-3, ENOSPACE)  /* the output buffer is too small */                                          \
    X(-4, ETOOBIG)   /* a size is above a limit of the description */                              \
    X(-8, ENOTSUP)   /* no coding that is allowed suits the kind of patch */                       \
    X(-9, ENOTFOUND) /* no version with this hash */

typedef enum dx_versions_error {
#define DX_VERSIONS_P_ENUM(value, constant) DX_VERSIONS_##constant = value,
    DX_VERSIONS_ERRORS(DX_VERSIONS_P_ENUM)
#undef DX_VERSIONS_P_ENUM
} dx_versions_error;

typedef struct dx_versions_entry { /* one version; may be read */
    const void *data; /* borrowed */
    size_t  size;
    uint8_t hash[DX_PATCH_HASH_SIZE]; /* dx_patch_hash() of it */
} dx_versions_entry;

typedef struct dx_versions { /* caller-allocated; fields are private */
    dx_versions_entry *slots_;
    size_t capacity_; /* slots */
    size_t count_;    /* used slots, from the oldest on, which is */
    size_t first_;    /* this slot; the last slot is followed by the first one */
} dx_versions;

/* >>api ---------------------------------------------------------------- */
/* "DX_VERSIONS_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_VERSIONS_API const char *dx_versions_error_name(int error);

/* Keep the last `capacity` versions in slots. */
DX_VERSIONS_API int dx_versions_init(dx_versions *v, dx_versions_entry *slots, size_t capacity);
/* Add a version. *evicted (may be NULL) receives the evicted one, or zeros; its data is not used
   any more. O(size), for the hash. */
DX_VERSIONS_API int dx_versions_add(dx_versions *v, const void *data, size_t size,
                                    dx_versions_entry *evicted);
/* The version with this hash (DX_PATCH_HASH_SIZE bytes), or NULL. */
DX_VERSIONS_API const dx_versions_entry *dx_versions_find(const dx_versions *v,
                                                          const uint8_t *hash);
/* dx_patch_create() from the version with this hash to target. DX_VERSIONS_ENOTFOUND: not kept, or
   evicted; else the result of dx_patch_create(). */
DX_VERSIONS_API int dx_versions_patch(const dx_versions *v, const uint8_t *base_hash,
                                      const dx_patch_create_desc *desc, const void *target,
                                      size_t target_size, void *out, size_t out_capacity,
                                      size_t *out_size);

#ifdef __cplusplus
}
#endif
#endif /* DX_VERSIONS_H */

#if (defined(DX_VERSIONS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_VERSIONS_IMPLEMENTED)
#define DX_VERSIONS_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_VERSIONS_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_VERSIONS_ASSERT(c) assert(c)
  #else
    #define DX_VERSIONS_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_VERSIONS_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_VERSIONS_P_LIBC(name) name
#endif
#ifndef DX_VERSIONS_MEMCMP
  #define DX_VERSIONS_MEMCMP DX_VERSIONS_P_LIBC(memcmp)
#endif
#ifndef DX_VERSIONS_MEMSET
  #define DX_VERSIONS_MEMSET DX_VERSIONS_P_LIBC(memset)
#endif

DX_VERSIONS_API const char *dx_versions_error_name(int error)
{
    switch (error) {
#define DX_VERSIONS_P_NAME(value, constant)                                                        \
    case value: return "DX_VERSIONS_" #constant;
        DX_VERSIONS_ERRORS(DX_VERSIONS_P_NAME)
#undef DX_VERSIONS_P_NAME
    default: return "unknown error";
    }
}

/* >>ring ----------------------------------------------------------------
   The slots are a ring. With 5 slots, of which 4 are in use:

       slots   [ v5 ][ v6 ][ v7 ][ v8 ][    ]        [ v10 ][ v6 ][ v7 ][ v8 ][ v9 ]
               first_                next                    first_, next

   A new version goes to slot (first_ + count_) % 5: a free one, or that of the oldest. */
DX_VERSIONS_API int dx_versions_init(dx_versions *v, dx_versions_entry *slots, size_t capacity)
{
    if (!v || !slots || capacity == 0) return DX_VERSIONS_EINVAL;
    v->slots_ = slots;
    v->capacity_ = capacity;
    v->count_ = 0;
    v->first_ = 0;
    return DX_VERSIONS_OK;
}

DX_VERSIONS_API const dx_versions_entry *dx_versions_find(const dx_versions *v,
                                                          const uint8_t *hash)
{
    size_t i;
    if (!v || !hash) return NULL;
    DX_VERSIONS_ASSERT(v->count_ <= v->capacity_);
    for (i = 0; i < v->count_; i++) { /* used slots are 0..count_: first_ moves once all are */
        const dx_versions_entry *one = v->slots_ + i;
        if (DX_VERSIONS_MEMCMP(one->hash, hash, DX_PATCH_HASH_SIZE) == 0) return one;
    }
    return NULL;
}

DX_VERSIONS_API int dx_versions_add(dx_versions *v, const void *data, size_t size,
                                    dx_versions_entry *evicted)
{
    dx_versions_entry added;
    dx_versions_entry *slot;
    if (!v || (!data && size)) return DX_VERSIONS_EINVAL;
    DX_VERSIONS_ASSERT(v->first_ < v->capacity_);
    DX_VERSIONS_ASSERT(v->first_ == 0 || v->count_ == v->capacity_);
    DX_VERSIONS_MEMSET(&added, 0, sizeof added);
    if (evicted) *evicted = added;
    added.data = data;
    added.size = size;
    dx_patch_hash(data, size, added.hash);
    if (dx_versions_find(v, added.hash)) return DX_VERSIONS_OK;
    slot = v->slots_ + (v->first_ + v->count_) % v->capacity_;
    if (v->count_ < v->capacity_) {
        v->count_++;
    } else {
        if (evicted) *evicted = *slot;
        v->first_ = (v->first_ + 1) % v->capacity_;
    }
    *slot = added;
    return DX_VERSIONS_OK;
}

DX_VERSIONS_API int dx_versions_patch(const dx_versions *v, const uint8_t *base_hash,
                                      const dx_patch_create_desc *desc, const void *target,
                                      size_t target_size, void *out, size_t out_capacity,
                                      size_t *out_size)
{
    const dx_versions_entry *base;
    if (!v || !base_hash) return DX_VERSIONS_EINVAL;
    base = dx_versions_find(v, base_hash);
    if (!base) return DX_VERSIONS_ENOTFOUND;
    return dx_patch_create(desc, base->data, base->size, target, target_size, out, out_capacity,
                           out_size);
}

#endif /* DX_VERSIONS_IMPLEMENTATION */

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
