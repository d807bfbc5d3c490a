/*  dx_queries.h - v0.3.0 - results of queries, cached until a table changes
                           - MIT-0 or public domain, see end of file

    A query is registered once, under an id, with the tables that it reads. Its results are entries
    of a dx_cache.h, keyed by the id and the parameters; invalidating a table, for example on a
    notification of the database, removes them. A function of the program runs a query and
    serialises its rows.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION     (DX_QUERIES_, DX_CACHE_ and DX_CAS_IMPLEMENTATION)
        #include "dx_queries.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cache.h
    from the same folder, unless that was included before.

    QUICK EXAMPLE

        static unsigned char memory[1 << 20];
        static int runs;

        static int load(void *user, const dx_queries_call *call, const dx_cache_tag *params,
                        uint32_t param_count, const void **value, size_t *size)
        {
            (void)user;         // a connection; the SQL is call->text
            (void)call;
            (void)params;
            (void)param_count;
            runs++;
            *value = "rows";
            *size = 4;
            return DX_QUERIES_OK;
        }

        int main(void)
        {
            static const dx_cache_tag tables[1] = {{"users", 5}}, params[1] = {{"17", 2}};
            dx_cache_desc   desc;
            dx_cache        cache;
            dx_queries      queries;
            dx_queries_call call;
            int i;
            memset(&desc, 0, sizeof desc);
            desc.bytes_max = 65536;
            desc.memory = memory;
            desc.memory_size = sizeof memory;
            if (dx_cache_init(&cache, &desc) != DX_CACHE_OK) return 1;
            dx_queries_init(&queries, &cache);
            if (dx_queries_register(&queries, "user", 4, "SELECT ...", 10, tables, 1)) return 2;
            for (i = 0; i < 3; i++) {
                if (i == 2) dx_cache_notify(&cache, "users:UPDATE", 12);   // from the database
                if (dx_queries_run(&queries, "user", 4, params, 1, 1000, load, NULL, &call) != 0)
                    return 3;
                if (call.view.value_size != 4) return 4;
                dx_queries_end(&queries, &call);
            }
            return runs != 2;   // the second time it was in the cache
        }

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>registry  >>execution  >>license

    GUARANTEES
        - A result is found only by the id and the same list of parameters, byte for byte.
        - Invalidating one of a query's tables, or registering the query again, removes its results;
          results that are being loaded meanwhile are returned, but not cached.
        - One caller runs a query with these parameters, the others wait. Failures are not cached.
        - No allocation but in the cache's memory, no globals, no recursion, no printing.
    LIMITS      DX_QUERIES_ID_MAX bytes of an id, DX_QUERIES_KEY_MAX of an id and its parameters,
                16 MiB of text, desc.entry_tags_max - 1 tables.
    SIZE        code: x86-64 3,379, Cortex-M0 1,839; objects: dx_queries 520, dx_queries_call 1,144
    CONFIG      DX_QUERIES_STATIC     functions become static
                DX_QUERIES_API        how functions are declared
                DX_QUERIES_ASSERT(c)  <assert.h> when hosted
                DX_QUERIES_MEMCPY, DX_QUERIES_MEMSET, DX_QUERIES_MEMCMP
                DX_QUERIES_KEY_MAX    1024; the same in all files
    ERRORS      dx_queries_error: 0 = ok, negative = reason, with the values of dx_cache_error;
                dx_queries_error_name() returns its name. Errors of load() are returned.
    OWNERSHIP   Registrations are copied into the memory of the cache; a text stays valid while a
                call holds it. The cache must outlive the queries.
    THREADS     As the cache: with desc.lock and desc.unlock any number of threads.
    FORMAT      None.
*/
#ifndef DX_QUERIES_H
#define DX_QUERIES_H

#define DX_QUERIES_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CACHE_H
  #include "dx_cache.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_QUERIES_API
  #ifndef DX_QUERIES_STATIC
    #define DX_QUERIES_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_QUERIES_API static __attribute__((unused))
  #else
    #define DX_QUERIES_API static
  #endif
#endif
#ifndef DX_QUERIES_KEY_MAX
  #define DX_QUERIES_KEY_MAX 1024 /* bytes of an id and its parameters, plus 4 for each */
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */

enum { DX_QUERIES_ID_MAX = DX_CACHE_TAG_MAX - 1, DX_QUERIES_BUCKETS_ = 64 };

/* value, constant, meaning; those of dx_cache.h that are returned, and more. */
#define DX_QUERIES_ERRORS(X)                                                                       \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its contract */                                        \
    X(-2, ENOMEM)     /* no room in the cache */                                                   \
    X(-4, ETOOBIG)    /* a text, a key, a result, or too many tables */                            \
    X(-6, EAGAIN)     /* too much is under way: later */                                           \
    X(-9, ENOTFOUND)  /* the result is not cached */                                               \
    X(-32, ESTALE)    /* the result is past its lifetime; the view holds it */                     \
    X(-33, EOUTDATED) /* not cached: a table changed meanwhile */                                  \
    X(-48, EUNKNOWN)  /* no query is registered under this id */                                   \
    X(-49, ESERIAL)   /* the rows could not be serialised; this and the rest: for load() */        \
    X(-50, EDATABASE) /* the database refused, or failed */                                        \
    X(-51, EPOOL)     /* there is no connection to it */                                           \
    X(-52, EINTERNAL) /* anything else */

typedef enum dx_queries_error {
#define DX_QUERIES_P_ENUM(value, constant) DX_QUERIES_##constant = value,
    DX_QUERIES_ERRORS(DX_QUERIES_P_ENUM)
#undef DX_QUERIES_P_ENUM
} dx_queries_error;
enum { DX_QUERIES_EMISS = DX_QUERIES_ENOTFOUND };

typedef struct dx_queries_entry_ { /* private: one registration; its names and its text follow */
    struct dx_queries_entry_ *next; /* of the same bucket */
    dx_cache_tag  *tags;            /* that of the query itself comes first */
    const uint8_t *text;
    size_t         text_size;
    uint32_t       tag_count;
    uint32_t       users;           /* calls that hold it */
    bool           gone;            /* removed or replaced: freed once users is 0 */
} dx_queries_entry_;

typedef struct dx_queries { /* caller-allocated; fields are private */
    dx_cache  *cache_;
    dx_queries_entry_ *buckets_[DX_QUERIES_BUCKETS_];
} dx_queries;

typedef struct dx_queries_call { /* one execution; fields ending in _ are private */
    dx_cache_view view;   /* the result; if it was not cached, the bytes of load() */
    const void   *text;   /* of the query, as registered */
    size_t        text_size;
    dx_queries_entry_    *query_;
    dx_cache_ticket ticket_;
    size_t        key_size_;
    uint8_t       key_[DX_QUERIES_KEY_MAX];
} dx_queries_call;

/* Run the query and serialise its rows; *value stays valid until the call ends. 0, or an error < 0.
   */
typedef int dx_queries_load(void *user, const dx_queries_call *call, const dx_cache_tag *params,
                          uint32_t param_count, const void **value, size_t *size);

/* >>api ---------------------------------------------------------------- */
/* "DX_QUERIES_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_QUERIES_API const char *dx_queries_error_name(int error);

/* The cache must outlive it, and its tags_max must cover all queries and their tables. */
DX_QUERIES_API void dx_queries_init(dx_queries *q, dx_cache *cache);
/* Everything is copied. Replaces a query with this id, and removes its results. EINVAL: an empty or
   too long name, or a table's name that begins with NUL. DX_QUERIES_ETOOBIG: more than
   entry_tags_max - 1 tables. ENOMEM. */
DX_QUERIES_API int dx_queries_register(dx_queries *q, const void *id, size_t id_size,
                                       const void *text, size_t text_size,
                                       const dx_cache_tag *tables, uint32_t table_count);
/* OK or DX_QUERIES_EUNKNOWN. */
DX_QUERIES_API int dx_queries_remove(dx_queries *q, const void *id, size_t id_size);

/* dx_queries_end() must follow, also after errors. OK, ESTALE, EMISS, EUNKNOWN, ETOOBIG
   (parameters). */
DX_QUERIES_API int dx_queries_get(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_call *call);
/* OK; DX_CACHE_COMPUTE: put or fail must follow; DX_CACHE_WAIT: poll, after desc.wake. */
DX_QUERIES_API int dx_queries_begin(dx_queries *q, const void *id, size_t id_size,
                                    const dx_cache_tag *params, uint32_t param_count,
                                    uint64_t now_ms, dx_queries_call *call);
DX_QUERIES_API int dx_queries_poll(dx_queries *q, uint64_t now_ms, dx_queries_call *call);
/* OK: call->view. EOUTDATED, ETOOBIG, ENOMEM, EAGAIN: not cached. ttl_ms 0: that of the cache. */
DX_QUERIES_API int dx_queries_put(dx_queries *q, dx_queries_call *call, const void *value,
                                  size_t size, uint64_t ttl_ms, uint64_t now_ms);
DX_QUERIES_API int dx_queries_fail(dx_queries *q, dx_queries_call *call, int error,
                                   uint64_t now_ms);
/* All steps: OK, with the result in call->view even if it was not cached; DX_CACHE_WAIT; errors of
   load(). */
DX_QUERIES_API int dx_queries_run(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_load *load, void *user, dx_queries_call *call);
DX_QUERIES_API void dx_queries_end(dx_queries *q, dx_queries_call *call);

#ifdef __cplusplus
}
#endif
#endif /* DX_QUERIES_H */

#if (defined(DX_QUERIES_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_QUERIES_IMPLEMENTED)
#define DX_QUERIES_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_QUERIES_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_QUERIES_ASSERT(c) assert(c)
  #else
    #define DX_QUERIES_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_QUERIES_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_QUERIES_P_LIBC(name) name
#endif
#ifndef DX_QUERIES_MEMCPY
  #define DX_QUERIES_MEMCPY DX_QUERIES_P_LIBC(memcpy)
#endif
#ifndef DX_QUERIES_MEMSET
  #define DX_QUERIES_MEMSET DX_QUERIES_P_LIBC(memset)
#endif
#ifndef DX_QUERIES_MEMCMP
  #define DX_QUERIES_MEMCMP DX_QUERIES_P_LIBC(memcmp)
#endif

DX_QUERIES_API const char *dx_queries_error_name(int error)
{
    switch (error) {
#define DX_QUERIES_P_NAME(value, constant)                                                         \
    case value: return "DX_QUERIES_" #constant;
        DX_QUERIES_ERRORS(DX_QUERIES_P_NAME)
#undef DX_QUERIES_P_NAME
    default: return "unknown error";
    }
}

/* >>registry ------------------------------------------------------------
   A registration is one block in the memory of the cache:

       [dx_queries_entry_][tags][NUL id][name of table 1][name of table 2] .. [text]
                            |     ^        ^
                            tags[0]      tags[1] ...

   Results have all of its tags. The tag of the query itself begins with NUL, which no table's name
   does, so that registering it again invalidates the results of the old text. */
/* With the lock held: the pointer to the registration of this id, or the end of its bucket's chain.
   An id is tag 0 without its leading NUL. */
static dx_queries_entry_ **dx_queries_p_place(dx_queries *q, const void *id, size_t size)
{
    dx_queries_entry_ **at =
        &q->buckets_[dx_cache_ext_hash(q->cache_, id, size) % DX_QUERIES_BUCKETS_];
    DX_QUERIES_ASSERT(size > 0 && size <= DX_QUERIES_ID_MAX);
    while (*at && ((*at)->tags->size != size + 1 ||
                   DX_QUERIES_MEMCMP((const uint8_t *)(*at)->tags->data + 1, id, size) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

/* With the lock held: a call, or the registry, releases a registration. */
static void dx_queries_p_drop(dx_queries *q, dx_queries_entry_ *one)
{
    DX_QUERIES_ASSERT(one->users > 0);
    if (--one->users == 0 && one->gone) dx_cache_ext_free(q->cache_, one);
}

/* Replace the registration with this id by another, or NULL. Its results are invalidated
   afterwards: a load with the old text either finds it gone, or began before the invalidation. */
static bool dx_queries_p_replace(dx_queries *q, const void *id, size_t size,
                                 dx_queries_entry_ *fresh)
{
    dx_queries_entry_ **at, *old;
    uint8_t tag[DX_CACHE_TAG_MAX];
    DX_QUERIES_ASSERT(size <= DX_QUERIES_ID_MAX);
    dx_cache_ext_lock(q->cache_);
    at = dx_queries_p_place(q, id, size);
    old = *at;
    if (old) {
        DX_QUERIES_ASSERT(!old->gone);
        *at = old->next;
        old->gone = true;
        old->users++; /* released next: frees it unless a call holds it */
        dx_queries_p_drop(q, old);
    }
    if (fresh) {
        fresh->next = *at;
        *at = fresh;
    }
    dx_cache_ext_unlock(q->cache_);
    if (!old) return false;
    tag[0] = 0;
    DX_QUERIES_MEMCPY(tag + 1, id, size);
    dx_cache_invalidate(q->cache_, tag, size + 1);
    return true;
}

/* A block of the cache, which evicts results if necessary; NULL: no room. */
static dx_queries_entry_ *dx_queries_p_alloc(dx_queries *q, size_t size)
{
    void *block;
    dx_cache_ext_lock(q->cache_);
    block = dx_cache_ext_alloc(q->cache_, size);
    dx_cache_ext_unlock(q->cache_);
    return (dx_queries_entry_ *)block;
}

/* Copy a name after the tags, as tag i; returns the position after it. Tag 0, the query itself, has
   a leading NUL. */
static uint8_t *dx_queries_p_name(dx_queries_entry_ *one, uint32_t i, uint8_t *to, const void *name,
                                size_t size)
{
    DX_QUERIES_ASSERT(i < one->tag_count && size > 0);
    DX_QUERIES_MEMCPY(to, name, size);
    one->tags[i].data = i ? to : to - 1;
    one->tags[i].size = i ? size : size + 1;
    return to + size;
}

/* Bytes of all names and of the NUL; 0: one is invalid. */
static size_t dx_queries_p_names(const dx_cache_tag *tables, uint32_t count)
{
    size_t size = 1;
    uint32_t i;
    for (i = 0; i < count; i++) {
        if (!tables[i].data || tables[i].size == 0 || tables[i].size > DX_CACHE_TAG_MAX ||
            *(const uint8_t *)tables[i].data == 0) {
            return 0;
        }
        size += tables[i].size;
    }
    return size;
}

DX_QUERIES_API void dx_queries_init(dx_queries *q, dx_cache *cache)
{
    DX_QUERIES_ASSERT(q && cache);
    DX_QUERIES_MEMSET(q, 0, sizeof *q);
    q->cache_ = cache;
}

DX_QUERIES_API int dx_queries_register(dx_queries *q, const void *id, size_t id_size,
                                       const void *text, size_t text_size,
                                       const dx_cache_tag *tables, uint32_t table_count)
{
    size_t names, head;
    dx_queries_entry_ *one;
    uint8_t *to;
    uint32_t i;
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX || (!text && text_size) ||
        (!tables && table_count)) {
        return DX_QUERIES_EINVAL;
    }
    if (table_count >= dx_cache_ext_tags_max(q->cache_)) return DX_QUERIES_ETOOBIG;
    names = dx_queries_p_names(tables, table_count);
    if (names == 0) return DX_QUERIES_EINVAL;
    head = sizeof *one + (table_count + 1) * sizeof *one->tags;
    names += head + id_size;
    if (text_size && (text_size - 1) / 4096 >= 4096) return DX_QUERIES_ETOOBIG; /* 16 MiB */
    one = dx_queries_p_alloc(q, names + text_size);
    if (!one) return DX_QUERIES_ENOMEM;
    DX_QUERIES_MEMSET(one, 0, sizeof *one);
    one->tags = (dx_cache_tag *)(void *)(one + 1);
    one->tag_count = table_count + 1;
    to = (uint8_t *)one + head;
    *to++ = 0;
    to = dx_queries_p_name(one, 0, to, id, id_size);
    for (i = 0; i < table_count; i++) {
        to = dx_queries_p_name(one, i + 1, to, tables[i].data, tables[i].size);
    }
    one->text = to;
    one->text_size = text_size;
    DX_QUERIES_ASSERT((size_t)(to - (uint8_t *)one) == names);
    if (text_size) DX_QUERIES_MEMCPY(to, text, text_size);
    dx_queries_p_replace(q, id, id_size, one);
    return DX_QUERIES_OK;
}

DX_QUERIES_API int dx_queries_remove(dx_queries *q, const void *id, size_t id_size)
{
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX) return DX_QUERIES_EINVAL;
    if (!dx_queries_p_replace(q, id, id_size, NULL)) return DX_QUERIES_EUNKNOWN;
    return DX_QUERIES_OK;
}

/* >>execution -----------------------------------------------------------
   The key of a result is the list of id and parameters, each preceded by its length. A call holds
   the registration, so that its text stays valid when another one replaces it.

       key    | 5 | users | 2 | 17 | 4 | name |        no two lists of parameters have the same key

       begin -> call->query_ (users + 1), text -> load -> put, with the tags of the registration
                                 register again: gone -> put is refused, end frees the block

   Parameters are text or bytes, never parsed: "1" and "01" have different results. */
/* Make the key, and hold the registration. */
static int dx_queries_p_open(dx_queries *q, const void *id, size_t id_size,
                           const dx_cache_tag *params, uint32_t count, dx_queries_call *call)
{
    uint32_t i;
    int error;
    if (!call) return DX_QUERIES_EINVAL;
    DX_QUERIES_MEMSET(call, 0, offsetof(dx_queries_call, key_));
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX || (!params && count)) {
        return DX_QUERIES_EINVAL;
    }
    error = dx_cache_key_add(call->key_, sizeof call->key_, &call->key_size_, id, id_size);
    for (i = 0; i < count && error == DX_QUERIES_OK; i++) {
        if (!params[i].data && params[i].size) return DX_QUERIES_EINVAL;
        error = dx_cache_key_add(call->key_, sizeof call->key_, &call->key_size_, params[i].data,
                                 params[i].size);
    }
    if (error != DX_QUERIES_OK) return DX_QUERIES_ETOOBIG;
    dx_cache_ext_lock(q->cache_);
    call->query_ = *dx_queries_p_place(q, id, id_size);
    DX_QUERIES_ASSERT(!call->query_ || !call->query_->gone); /* chains have no removed entries */
    if (call->query_) call->query_->users++;
    dx_cache_ext_unlock(q->cache_);
    if (!call->query_) return DX_QUERIES_EUNKNOWN;
    call->text = call->query_->text;
    call->text_size = call->query_->text_size;
    return DX_QUERIES_OK;
}

DX_QUERIES_API int dx_queries_get(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_call *call)
{
    int error = dx_queries_p_open(q, id, id_size, params, param_count, call);
    if (error != DX_QUERIES_OK) return error;
    return dx_cache_get(q->cache_, call->key_, call->key_size_, now_ms, &call->view);
}

DX_QUERIES_API int dx_queries_begin(dx_queries *q, const void *id, size_t id_size,
                                    const dx_cache_tag *params, uint32_t param_count,
                                    uint64_t now_ms, dx_queries_call *call)
{
    int error = dx_queries_p_open(q, id, id_size, params, param_count, call);
    return error != DX_QUERIES_OK ? error : dx_queries_poll(q, now_ms, call);
}

DX_QUERIES_API int dx_queries_poll(dx_queries *q, uint64_t now_ms, dx_queries_call *call)
{
    if (!q || !call || !call->query_) return DX_QUERIES_EINVAL;
    dx_cache_release(q->cache_, &call->view);
    return dx_cache_poll(q->cache_, call->key_, call->key_size_, now_ms, &call->view,
                         &call->ticket_);
}

DX_QUERIES_API int dx_queries_put(dx_queries *q, dx_queries_call *call, const void *value,
                                  size_t size, uint64_t ttl_ms, uint64_t now_ms)
{
    dx_cache_item item;
    bool gone;
    if (!q || !call || !call->query_) return DX_QUERIES_EINVAL;
    dx_cache_release(q->cache_, &call->view);
    dx_cache_ext_lock(q->cache_);
    gone = call->query_->gone;
    dx_cache_ext_unlock(q->cache_);
    if (gone) { /* the id has another text now; waiters run that one */
        return dx_cache_ext_outdate(q->cache_, &call->ticket_);
    }
    DX_QUERIES_MEMSET(&item, 0, sizeof item);
    DX_QUERIES_ASSERT(call->key_size_ > 0);
    item.key = call->key_;
    item.key_size = call->key_size_;
    item.value = value;
    item.value_size = size;
    item.tags = call->query_->tags;
    item.tag_count = call->query_->tag_count;
    item.ttl_ms = ttl_ms;
    return dx_cache_put(q->cache_, &call->ticket_, &item, now_ms, &call->view);
}

DX_QUERIES_API int dx_queries_fail(dx_queries *q, dx_queries_call *call, int error, uint64_t now_ms)
{
    if (!q || !call) return DX_QUERIES_EINVAL;
    return dx_cache_fail(q->cache_, &call->ticket_, error, now_ms);
}

DX_QUERIES_API int dx_queries_run(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_load *load, void *user, dx_queries_call *call)
{
    const void *value = NULL;
    size_t size = 0;
    int error = dx_queries_begin(q, id, id_size, params, param_count, now_ms, call);
    if (error != DX_CACHE_COMPUTE) return error;
    error = load(user, call, params, param_count, &value, &size);
    if (error < 0) {
        (void)dx_queries_fail(q, call, error, now_ms);
        return error;
    }
    error = dx_queries_put(q, call, value, size, 0, now_ms);
    if (error == DX_QUERIES_EINVAL) return error;
    if (error != DX_QUERIES_OK) { /* not cached, but correct when it was requested */
        call->view.value = value;
        call->view.value_size = size;
    }
    return DX_QUERIES_OK;
}

DX_QUERIES_API void dx_queries_end(dx_queries *q, dx_queries_call *call)
{
    DX_QUERIES_ASSERT(q && call);
    dx_cache_release(q->cache_, &call->view);
    if (!call->query_) return;
    dx_cache_ext_lock(q->cache_);
    dx_queries_p_drop(q, call->query_);
    dx_cache_ext_unlock(q->cache_);
    DX_QUERIES_MEMSET(call, 0, offsetof(dx_queries_call, key_));
}

#endif /* DX_QUERIES_IMPLEMENTATION */

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
