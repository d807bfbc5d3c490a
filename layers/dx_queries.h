/*  dx_queries.h - results of named queries in a cache that the tables invalidate, above dx_cache.h
    MIT-0 or public domain, as dx_cas.h

    Include it behind dx_cache.h; where DX_CACHE_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too (in the same file as those of dx_cache.h). It knows no database: what
    runs a query and serialises its rows is a function of the program.

        dx_queries_init(&queries, &cache);
        dx_queries_register(&queries, "user", 4, "SELECT ... = $1", 15, tables, table_count);

        result = dx_queries_run(&queries, "user", 4, params, 1, now_ms, load, database, &call);
        if (result == DX_CACHE_OK) send(call.view.value, call.view.value_size);
        dx_queries_end(&queries, &call);

        dx_cache_notify(&cache, payload, size);  // "users" or "users:UPDATE", from the database

    GUARANTEES
        - A result is found only by the id and the same list of parameters, each byte of them.
        - Results of a query vanish when one of its tables is invalidated, or it is registered anew;
          so do results that are being loaded meanwhile: they are returned, but not kept.
        - One caller runs a query with these parameters, the others wait. Failures are not kept.
    THREADS     as the cache: with desc.lock and desc.unlock any number of them. Registrations are
                kept in the memory of the cache, a text stays as long as a call holds it.
*/
#ifndef DX_QUERIES_H
#define DX_QUERIES_H

#include "dx_cache.h"

#ifndef DX_QUERIES_KEY_MAX
  #define DX_QUERIES_KEY_MAX 1024 /* bytes of an id and its parameters, each with 4 more */
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { DX_QUERIES_ID_MAX = DX_CACHE_TAG_MAX - 1, DX_QUERIES_BUCKETS_ = 64 };

enum { /* beside those of dx_cache_error; load() may return these, and any other < 0 */
    DX_QUERIES_EMISS = DX_CACHE_ENOTFOUND, /* there is no result in the cache */
    DX_QUERIES_EUNKNOWN = -48,             /* no query is registered under this id */
    DX_QUERIES_ESERIAL = -49,              /* the rows could not be serialised */
    DX_QUERIES_EDATABASE = -50,            /* the database refused, or failed */
    DX_QUERIES_EPOOL = -51,                /* there is no connection to it */
    DX_QUERIES_EINTERNAL = -52
};

typedef struct dx_queries_entry_ { /* private: one registration; its names and its text follow */
    struct dx_queries_entry_ *next;
    dx_cache_tag *tags; /* that of the query itself comes first */
    const uint8_t *text;
    size_t   text_size;
    uint32_t tag_count, users;
    bool     gone;
} dx_queries_entry_;

typedef struct dx_queries { /* caller-allocated; fields are private */
    dx_cache  *cache_;
    dx_queries_entry_ *buckets_[DX_QUERIES_BUCKETS_];
} dx_queries;

typedef struct dx_queries_call { /* one execution; the fields with _ are private */
    dx_cache_view view;   /* the result; where it could not be kept the bytes of load() */
    const void   *text;   /* of the query, as it was registered */
    size_t        text_size;
    dx_queries_entry_    *query_;
    dx_cache_ticket ticket_;
    size_t        key_size_;
    uint8_t       key_[DX_QUERIES_KEY_MAX];
} dx_queries_call;

/* Run the query and serialise its rows; *value stays until the call ends. 0, or an error < 0. */
typedef int dx_queries_load(void *user, const dx_queries_call *call, const dx_cache_tag *params,
                          uint32_t param_count, const void **value, size_t *size);

/* The cache must outlive it, and have tags_max for all queries and their tables. */
DX_CACHE_API void dx_queries_init(dx_queries *q, dx_cache *cache);
/* Everything is copied. A query of this id is replaced, and its results are gone. EINVAL: an empty
   or too long name, or one of a table that begins with NUL. DX_CACHE_ETOOBIG: more than
   entry_tags_max - 1 tables. ENOMEM. */
DX_CACHE_API int dx_queries_register(dx_queries *q, const void *id, size_t id_size,
                                     const void *text, size_t text_size, const dx_cache_tag *tables,
                                     uint32_t table_count);
/* OK or DX_QUERIES_EUNKNOWN. */
DX_CACHE_API int dx_queries_remove(dx_queries *q, const void *id, size_t id_size);

/* dx_queries_end() must follow in each case. OK, ESTALE, EMISS, EUNKNOWN, ETOOBIG (parameters). */
DX_CACHE_API int dx_queries_get(dx_queries *q, const void *id, size_t id_size,
                                const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                dx_queries_call *call);
/* OK; DX_CACHE_COMPUTE: put or fail must follow; DX_CACHE_WAIT: poll, after desc.wake. */
DX_CACHE_API int dx_queries_begin(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_call *call);
DX_CACHE_API int dx_queries_poll(dx_queries *q, uint64_t now_ms, dx_queries_call *call);
/* OK: call->view. EOUTDATED, ETOOBIG, ENOMEM, EAGAIN: not kept. ttl_ms 0: that of the cache. */
DX_CACHE_API int dx_queries_put(dx_queries *q, dx_queries_call *call, const void *value, size_t size,
                                uint64_t ttl_ms, uint64_t now_ms);
DX_CACHE_API int dx_queries_fail(dx_queries *q, dx_queries_call *call, int error, uint64_t now_ms);
/* All of it: OK, with the result in call->view whether it could be kept or not; DX_CACHE_WAIT; what
   load() failed with. */
DX_CACHE_API int dx_queries_run(dx_queries *q, const void *id, size_t id_size,
                                const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                dx_queries_load *load, void *user, dx_queries_call *call);
DX_CACHE_API void dx_queries_end(dx_queries *q, dx_queries_call *call);

#ifdef __cplusplus
}
#endif
#endif /* DX_QUERIES_H */

#if (defined(DX_CACHE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) &&                            \
    !defined(DX_QUERIES_IMPLEMENTED)
#define DX_QUERIES_IMPLEMENTED

/* >>registry ------------------------------------------------------------ */
static dx_queries_entry_ **dx_queries_p_place(dx_queries *q, const void *id, size_t size) /* with the lock */
{
    dx_queries_entry_ **at = &q->buckets_[dx_cache_p_hash(q->cache_, id, size) % DX_QUERIES_BUCKETS_];
    while (*at && ((*at)->tags->size != size + 1 ||
                   DX_CACHE_MEMCMP((const uint8_t *)(*at)->tags->data + 1, id, size) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static void dx_queries_p_drop(dx_queries *q, dx_queries_entry_ *one) /* with the lock */
{
    if (--one->users == 0 && one->gone) dx_cache_p_free(q->cache_, (uint8_t *)(void *)one);
}

/* Another one, or NULL, in the place of the one with this id. Its results go after it has gone:
   what is loaded with the old text either sees that it has, or began before the invalidation. */
static bool dx_queries_p_replace(dx_queries *q, const void *id, size_t size, dx_queries_entry_ *fresh)
{
    dx_queries_entry_ **at, *old;
    uint8_t tag[DX_CACHE_TAG_MAX];
    dx_cache_p_lock(q->cache_);
    at = dx_queries_p_place(q, id, size);
    old = *at;
    if (old) {
        *at = old->next;
        old->gone = true;
        old->users++;
        dx_queries_p_drop(q, old);
    }
    if (fresh) {
        fresh->next = *at;
        *at = fresh;
    }
    dx_cache_p_unlock(q->cache_);
    if (!old) return false;
    tag[0] = 0;
    DX_CACHE_MEMCPY(tag + 1, id, size);
    dx_cache_invalidate(q->cache_, tag, size + 1);
    return true;
}

static dx_queries_entry_ *dx_queries_p_alloc(dx_queries *q, size_t size)
{
    uint8_t *block;
    dx_cache_p_lock(q->cache_);
    while ((block = dx_cache_p_alloc(q->cache_, size)) == NULL) {
        if (!dx_cache_p_bury(q->cache_) && !dx_cache_p_evict(q->cache_)) break;
    }
    dx_cache_p_unlock(q->cache_);
    return (dx_queries_entry_ *)(void *)block;
}

/* A copy of a name behind the tags, as tag i. */
static uint8_t *dx_queries_p_name(dx_queries_entry_ *one, uint32_t i, uint8_t *to, const void *name,
                                size_t size)
{
    DX_CACHE_MEMCPY(to, name, size);
    one->tags[i].data = i ? to : to - 1;
    one->tags[i].size = i ? size : size + 1;
    return to + size;
}

/* 0: one is not allowed. */
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

DX_CACHE_API void dx_queries_init(dx_queries *q, dx_cache *cache)
{
    DX_CACHE_MEMSET(q, 0, sizeof *q);
    q->cache_ = cache;
}

DX_CACHE_API int dx_queries_register(dx_queries *q, const void *id, size_t id_size,
                                     const void *text, size_t text_size, const dx_cache_tag *tables,
                                     uint32_t table_count)
{
    size_t names, head;
    dx_queries_entry_ *one;
    uint8_t *to;
    uint32_t i;
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX || (!text && text_size) ||
        (!tables && table_count)) {
        return DX_CACHE_EINVAL;
    }
    if (table_count >= q->cache_->desc_.entry_tags_max) return DX_CACHE_ETOOBIG;
    names = dx_queries_p_names(tables, table_count);
    if (names == 0) return DX_CACHE_EINVAL;
    head = sizeof *one + (table_count + 1) * sizeof *one->tags;
    names += head + id_size;
    if (text_size > (size_t)1 << 24) return DX_CACHE_ETOOBIG;
    one = dx_queries_p_alloc(q, names + text_size);
    if (!one) return DX_CACHE_ENOMEM;
    DX_CACHE_MEMSET(one, 0, sizeof *one);
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
    if (text_size) DX_CACHE_MEMCPY(to, text, text_size);
    dx_queries_p_replace(q, id, id_size, one);
    return DX_CACHE_OK;
}

DX_CACHE_API int dx_queries_remove(dx_queries *q, const void *id, size_t id_size)
{
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX) return DX_CACHE_EINVAL;
    if (!dx_queries_p_replace(q, id, id_size, NULL)) return DX_QUERIES_EUNKNOWN;
    return DX_CACHE_OK;
}

/* >>execution ----------------------------------------------------------- */
static int dx_queries_p_open(dx_queries *q, const void *id, size_t id_size,
                           const dx_cache_tag *params, uint32_t count, dx_queries_call *call)
{
    uint32_t i;
    int error;
    if (!call) return DX_CACHE_EINVAL;
    DX_CACHE_MEMSET(call, 0, offsetof(dx_queries_call, key_));
    if (!q || !id || id_size == 0 || id_size > DX_QUERIES_ID_MAX || (!params && count)) {
        return DX_CACHE_EINVAL;
    }
    error = dx_cache_key_add(call->key_, sizeof call->key_, &call->key_size_, id, id_size);
    for (i = 0; i < count && error == DX_CACHE_OK; i++) {
        if (!params[i].data && params[i].size) return DX_CACHE_EINVAL;
        error = dx_cache_key_add(call->key_, sizeof call->key_, &call->key_size_, params[i].data,
                                 params[i].size);
    }
    if (error != DX_CACHE_OK) return DX_CACHE_ETOOBIG;
    dx_cache_p_lock(q->cache_);
    call->query_ = *dx_queries_p_place(q, id, id_size);
    if (call->query_) call->query_->users++;
    dx_cache_p_unlock(q->cache_);
    if (!call->query_) return DX_QUERIES_EUNKNOWN;
    call->text = call->query_->text;
    call->text_size = call->query_->text_size;
    return DX_CACHE_OK;
}

DX_CACHE_API int dx_queries_get(dx_queries *q, const void *id, size_t id_size,
                                const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                dx_queries_call *call)
{
    int error = dx_queries_p_open(q, id, id_size, params, param_count, call);
    if (error != DX_CACHE_OK) return error;
    return dx_cache_get(q->cache_, call->key_, call->key_size_, now_ms, &call->view);
}

DX_CACHE_API int dx_queries_begin(dx_queries *q, const void *id, size_t id_size,
                                  const dx_cache_tag *params, uint32_t param_count, uint64_t now_ms,
                                  dx_queries_call *call)
{
    int error = dx_queries_p_open(q, id, id_size, params, param_count, call);
    return error != DX_CACHE_OK ? error : dx_queries_poll(q, now_ms, call);
}

DX_CACHE_API int dx_queries_poll(dx_queries *q, uint64_t now_ms, dx_queries_call *call)
{
    if (!q || !call || !call->query_) return DX_CACHE_EINVAL;
    dx_cache_release(q->cache_, &call->view);
    return dx_cache_poll(q->cache_, call->key_, call->key_size_, now_ms, &call->view,
                         &call->ticket_);
}

DX_CACHE_API int dx_queries_put(dx_queries *q, dx_queries_call *call, const void *value, size_t size,
                                uint64_t ttl_ms, uint64_t now_ms)
{
    dx_cache_item item;
    if (!q || !call || !call->query_) return DX_CACHE_EINVAL;
    dx_cache_release(q->cache_, &call->view);
    dx_cache_p_lock(q->cache_);
    if (call->query_->gone) { /* another text has this id now; who waits runs that one */
        return dx_cache_p_end(q->cache_, &call->ticket_, DX_CACHE_EOUTDATED, DX_CACHE_OK);
    }
    dx_cache_p_unlock(q->cache_);
    DX_CACHE_MEMSET(&item, 0, sizeof item);
    item.key = call->key_;
    item.key_size = call->key_size_;
    item.value = value;
    item.value_size = size;
    item.tags = call->query_->tags;
    item.tag_count = call->query_->tag_count;
    item.ttl_ms = ttl_ms;
    return dx_cache_put(q->cache_, &call->ticket_, &item, now_ms, &call->view);
}

DX_CACHE_API int dx_queries_fail(dx_queries *q, dx_queries_call *call, int error, uint64_t now_ms)
{
    if (!q || !call) return DX_CACHE_EINVAL;
    return dx_cache_fail(q->cache_, &call->ticket_, error, now_ms);
}

DX_CACHE_API int dx_queries_run(dx_queries *q, const void *id, size_t id_size,
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
    if (error == DX_CACHE_EINVAL) return error;
    if (error != DX_CACHE_OK) { /* not kept, and yet what was right when it was asked */
        call->view.value = value;
        call->view.value_size = size;
    }
    return DX_CACHE_OK;
}

DX_CACHE_API void dx_queries_end(dx_queries *q, dx_queries_call *call)
{
    dx_cache_release(q->cache_, &call->view);
    if (!call->query_) return;
    dx_cache_p_lock(q->cache_);
    dx_queries_p_drop(q, call->query_);
    dx_cache_p_unlock(q->cache_);
    DX_CACHE_MEMSET(call, 0, offsetof(dx_queries_call, key_));
}

#endif /* DX_CACHE_IMPLEMENTATION */
