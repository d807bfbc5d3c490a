/*  dx_cache.h - v0.3.0 - keyed answers: ETags, tags, lifetimes, quotas, single flight
                         - MIT-0 or public domain, see end of file

    A cache in memory for values that are expensive to compute: results of queries, rendered pages,
    downloads. It can be saved into a store of dx_cas.h, and loaded from it.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (DX_CACHE_IMPLEMENTATION and DX_CAS_IMPLEMENTATION)
        #include "dx_cache.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cas.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static unsigned char memory[1 << 20];
        dx_cache        cache;
        dx_cache_desc   desc;
        dx_cache_item   item;
        dx_cache_view   view;
        dx_cache_ticket ticket;
        memset(&desc, 0, sizeof desc);
        desc.bytes_max = 65536;                       // 50 MiB by default; entries_max 100
        desc.memory = memory;                         // no other memory is used
        desc.memory_size = sizeof memory;             // dx_cache_memory_size(&desc) or more
        if (dx_cache_init(&cache, &desc) != DX_CACHE_OK) return 1;
        switch (dx_cache_begin(&cache, "key", 3, 1000, &view, &ticket)) { // at 1,000 ms
        case DX_CACHE_OK: break;                      // it is in the view
        case DX_CACHE_COMPUTE:                        // no other caller computes it
            memset(&item, 0, sizeof item);
            item.key = "key";
            item.key_size = 3;
            item.value = "answer";
            item.value_size = 6;
            if (dx_cache_put(&cache, &ticket, &item, 1000, &view) != DX_CACHE_OK) return 2;
            break;
        default: return 3;                            // DX_CACHE_WAIT: dx_cache_poll() later
        }
        if (view.value_size != 6 || memcmp(view.value, "answer", 6) != 0) return 4;
        dx_cache_release(&cache, &view);

    CONTENTS (search for the mark)

        >>config  >>types  >>api  >>extension     what you may call
        >>platform  >>shared  >>arena  >>tags  >>entries  >>flights  >>invalidation  >>etag
        >>memory  >>store  >>layers  >>license

    GUARANTEES
        - The bytes of a view are immutable and stay valid until it is released, whatever happens to
          the entry.
        - An answer is stored only if nothing that it depends on was invalidated since its
          computation began.
        - Never above the quota: a put that would exceed it evicts the least recently used entries,
          down to 80 % of the quota.
        - get, begin, release and every invalidation take a bounded number of steps, however many
          entries exist or depend on a tag: these become invalid at once, and later puts free their
          memory, 32 entries at a time.
        - Keys are compared, not only hashed; the hash is keyed (SipHash-1-3 with desc.seed).
        - No allocation, no globals, no recursion, no printing.
    LIMITS      8 GiB, 2^26 entries, 2^20 tags, DX_CACHE_TAGS_MAX tags of one entry; keys of 65,535
                bytes.
    SIZE        code: x86-64 17,544, Cortex-M0 13,057; objects: dx_cache 2,568, dx_cache_view 72,
                dx_cache_ticket 16, plus dx_cache_memory_size()
    CONFIG      DX_CACHE_STATIC     functions become static
                DX_CACHE_API        how functions are declared
                DX_CACHE_ASSERT(c)  <assert.h> when hosted
                DX_CACHE_MEMCPY, DX_CACHE_MEMSET, DX_CACHE_MEMCMP
    ERRORS      dx_cache_error: 0 = ok, negative = reason; dx_cache_error_name() returns its name.
                Saving and loading return errors of dx_cas.h, with its values.
    OWNERSHIP   desc.memory is borrowed as long as the cache is used. Items are copied; a view
                points into the cache until it is released.
    THREADS     desc.lock and desc.unlock guard the whole cache; NULL: one thread at a time uses it.
                They are held for O(1) steps: hashing and copying of values, and writes to a store,
                happen outside. For more threads use several caches, selected by a hash of the key,
                and invalidate in each.
    CLOCK       The caller passes the time: milliseconds, since 1970 when the cache is saved.
    FORMAT      docs/formats/cache.md, of what dx_cache_save() writes.
*/
#ifndef DX_CACHE_H
#define DX_CACHE_H

#define DX_CACHE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_H
  #include "../dx_cas.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_CACHE_API
  #ifndef DX_CACHE_STATIC
    #define DX_CACHE_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_CACHE_API static __attribute__((unused))
  #else
    #define DX_CACHE_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning. From EREADONLY on these are errors of dx_cas.h from saving and loading.
   Its ECONFLICT and ELOCKED, which have the values of ESTALE and EOUTDATED, cannot occur. */
#define DX_CACHE_ERRORS(X)                                                                         \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its contract */                                        \
    X(-2, ENOMEM)     /* no room, even after evictions; or too little memory */                    \
    X(-3, ENOSPACE)   /* the output buffer, or the device of the store, is full */                 \
    X(-4, ETOOBIG)    /* above the quota, or above a limit of the store */                         \
    X(-5, ECORRUPT)   /* saved data is damaged */                                                  \
    X(-6, EAGAIN)     /* too many puts or computations at once: later */                           \
    X(-7, ESYS)       /* the device of the store failed; yours to use in dx_cache_fail() */        \
    X(-8, ENOTSUP)    /* the store has a codec or hash that this build does not have */            \
    X(-9, ENOTFOUND)  /* no such entry */                                                          \
    X(-12, EVERSION)  /* saved by a later version */                                               \
    X(-32, ESTALE)    /* there, but past its lifetime: the view holds it */                        \
    X(-33, EOUTDATED) /* not stored: overtaken by an invalidation, a put or the deadline */        \
    X(-34, EREADONLY) /* the store was opened for reading, or is damaged */                        \
    X(-35, EMOVED)    /* the store was replaced by another */                                      \
    X(-36, EBASE)     /* a delta in the store lacks its base */                                    \
    X(-37, EFAILED)   /* a commit of the store failed before: open it again */

typedef enum dx_cache_error {
#define DX_CACHE_P_ENUM(value, constant) DX_CACHE_##constant = value,
    DX_CACHE_ERRORS(DX_CACHE_P_ENUM)
#undef DX_CACHE_P_ENUM
} dx_cache_error;

enum dx_cache_result { /* other results of calls: no errors */
    DX_CACHE_COMPUTE = 1, /* the caller must compute it, then call put, renew or fail */
    DX_CACHE_WAIT = 2     /* another caller computes it: dx_cache_poll() */
};

enum { DX_CACHE_TAG_MAX = 120, DX_CACHE_TAGS_MAX = 32, DX_CACHE_NAME_MAX = 32 };
#define DX_CACHE_NEVER UINT64_MAX

typedef struct dx_cache_desc { /* zero fields mean the default */
    void    *memory;        /* required, of any alignment; borrowed as long as the cache is used */
    size_t   memory_size;   /* dx_cache_memory_size() or more: more helps against fragmentation */
    uint64_t bytes_max;     /* of keys, tags and values together; default 50 MiB */
    uint32_t entries_max;   /* default 100 (a cache of database rows: 10,000 and ttl_ms 300,000) */
    uint64_t ttl_ms;        /* default 7 days; DX_CACHE_NEVER */
    bool     drop_expired;  /* false: expired entries stay, as stale, while there is room */
    uint32_t tags_max;      /* different tags in use at a time; default 1,024 */
    uint32_t entry_tags_max; /* tags of one entry; default 8, at most DX_CACHE_TAGS_MAX */
    uint32_t flights_max;   /* computations at a time; default 64 */
    uint64_t flight_ms;     /* after this time a computation counts as dead; default 30 s */
    uint32_t held_max;      /* removed entries with views, and unfinished puts; default 64 */
    uint64_t seed[2];       /* for the hash of keys; random if untrusted input selects keys */
    const char *name;       /* in its store, DX_CACHE_NAME_MAX bytes at most; default "cache" */
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void (*wake)(void *user); /* a computation ended: waiters should poll. Without the lock */
    /* of values; default: dx_cas_hash() */
    void (*hash)(void *user, const void *data, size_t size, uint8_t out[32]);
    void    *user;
} dx_cache_desc;

typedef struct dx_cache_tag {
    const void *data;
    size_t      size; /* 1..DX_CACHE_TAG_MAX */
} dx_cache_tag;

typedef struct dx_cache_item { /* an answer; everything is copied */
    const void *key;
    const void *value;
    size_t      key_size; /* key: 1..65,535 bytes */
    size_t      value_size;
    const dx_cache_tag *tags; /* what it depends on */
    uint32_t    tag_count;
    uint64_t    ttl_ms;       /* 0: desc.ttl_ms */
    const uint8_t *hash;      /* of the value, 32 bytes, the ETag; NULL: the cache computes it */
    uint64_t    patch_size;   /* not 0: bytes of the patch that it arrived as; for statistics */
} dx_cache_item;

typedef struct dx_cache_view { /* a result; {0} holds nothing. Release it */
    const void    *value;      /* at a multiple of 16 */
    const void    *key;
    size_t         value_size;
    size_t         key_size;
    const uint8_t *hash;        /* 32 bytes */
    uint64_t       time_ms;     /* when it was stored, or renewed */
    uint64_t       expires_ms;  /* stale from this time on */
    uint64_t       hits;
    uint32_t       entry_;      /* private: number of its slot + 1; 0: none */
} dx_cache_view;

typedef struct dx_cache_ticket { /* private */
    uint64_t id_;
    uint32_t flight_;
} dx_cache_ticket;

typedef struct dx_cache_stats {
    uint64_t entries;     /* including invalid ones that are not swept yet, */
    uint64_t bytes;       /* and their keys, tags and values */
    uint64_t hits;        /* of get and begin */
    uint64_t stale;
    uint64_t misses;
    uint64_t puts;
    uint64_t patches;     /* puts that came as patches */
    uint64_t renewals;
    uint64_t saved_bytes; /* that patches and renewals did not transfer */
    uint64_t evicted;     /* entries removed for lack of room, */
    uint64_t removed;     /* and as invalid, expired, replaced or by key */
    uint64_t outdated;    /* answers that were refused */
    uint64_t failed;      /* computations that failed */
    uint64_t damaged;     /* entries of the store that could not be read */
} dx_cache_stats;

typedef struct dx_cache_entry_ { /* private: a slot, and the lists that it is in (>>entries) */
    uint64_t hash;       /* of the key */
    uint64_t epoch;      /* when its computation began */
    uint64_t expires_ms;
    uint8_t *block;      /* the record, as it is saved */
    uint32_t chain;      /* the next slot of the same bucket, or free slot */
    uint32_t older;      /* its neighbours in the list by use */
    uint32_t newer;
    uint32_t pins;       /* views of it */
    uint32_t key_size;
    uint32_t value_at;   /* in the record */
    uint8_t  state;
    uint8_t  tag_count;
    bool     saved;      /* the store has an object under this slot's name, */
    bool     dirty;      /* which differs from this entry */
    uint32_t tags_size;
    uint64_t value_size;
    uint64_t time_ms;
    uint64_t hits;
    uint64_t sequence;   /* higher: stored later */
} dx_cache_entry_;

typedef struct dx_cache_link_ { /* private: in a ring */
    uint32_t prev;
    uint32_t next;
    uint32_t tag; /* of links of entries */
} dx_cache_link_;

typedef struct dx_cache_tag_ { /* private */
    uint64_t epoch; /* of its last invalidation */
    uint64_t hash;  /* of its name */
    uint32_t chain; /* the next one of the same bucket */
    uint32_t count; /* entries that have it */
    uint32_t size;  /* of its name; 0: none yet */
    uint8_t  name[DX_CACHE_TAG_MAX];
} dx_cache_tag_;

typedef struct dx_cache_flight_ { /* private */
    uint64_t id;          /* of the ticket that may end it */
    uint64_t epoch;       /* when it began */
    uint64_t hash;        /* of its key */
    uint64_t deadline_ms; /* when it counts as dead */
    uint8_t *key;         /* in the arena */
    uint32_t key_size;
    int      error;       /* its result, for the waiters */
    bool     running;
    bool     doomed;      /* its key was removed: drop the answer */
} dx_cache_flight_;

typedef struct dx_cache_unit_ { /* private: 16 bytes, the header of each block of the arena */
    uint32_t units;  /* of the block, including this header */
    uint32_t before; /* of the previous block; the top bit: this block is free */
    uint32_t next;   /* free blocks of its class */
    uint32_t prev;
} dx_cache_unit_;

enum { DX_CACHE_CLASSES_ = 32 };
typedef struct dx_cache { /* caller-allocated; all fields are private */
    dx_cache_desc     desc_;
    dx_cache_stats    stats_;
    dx_cache_entry_  *entries_;     /* the last one is the head of the list by use */
    dx_cache_link_   *links_;       /* of entries; then the heads of tags, dead and idle ones */
    dx_cache_tag_    *tags_;
    dx_cache_flight_ *flights_;
    uint32_t         *buckets_;     /* of keys: the first slot of each chain */
    uint32_t         *tag_buckets_; /* the same for names of tags */
    dx_cache_unit_   *arena_;
    uint32_t          slots_;       /* entries_max + held_max */
    uint32_t          bucket_mask_;
    uint32_t          tag_mask_;
    uint32_t          heads_;       /* the first head in links_ */
    uint32_t          free_slot_;
    uint32_t          flight_hand_; /* where the search for a free flight continues */
    uint32_t          map_;         /* rows of the arena that have a free block, */
    uint32_t          maps_[DX_CACHE_CLASSES_]; /* columns of each, */
    uint32_t          free_[DX_CACHE_CLASSES_][16]; /* and the first block of each class */
    uint64_t          epoch_;       /* number of invalidations */
    uint64_t          floor_;       /* the latest one of forgotten tags */
    uint64_t          all_epoch_;   /* the latest one of everything */
    uint64_t          sequence_;    /* numbers of tickets and of stored entries */
    uint64_t          reserved_bytes_;   /* of puts under way, */
    uint64_t          reserved_entries_; /* and their number */
    bool              foreign_;     /* the store has names of slots beyond this cache's */
} dx_cache;

/* >>api ---------------------------------------------------------------- */
/* "DX_CACHE_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_CACHE_API const char *dx_cache_error_name(int error);

/* Required memory in bytes; 0: above SIZE_MAX, or a field is out of range. */
DX_CACHE_API size_t dx_cache_memory_size(const dx_cache_desc *desc);
/* EINVAL, ENOMEM. There is no close function: free the memory. */
DX_CACHE_API int dx_cache_init(dx_cache *cache, const dx_cache_desc *desc);

/* OK, ESTALE (the view holds it), ENOTFOUND. */
DX_CACHE_API int dx_cache_get(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                              dx_cache_view *view);
/* As get; but if the entry is missing or stale, one caller at a time gets COMPUTE and the others
   WAIT; the view then has the stale entry, if any. EAGAIN: flights_max computations are running. A
   computation that takes longer than desc.flight_ms counts as dead, and the next caller gets
   COMPUTE; the same after the key was removed or everything was invalidated. */
DX_CACHE_API int dx_cache_begin(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                                dx_cache_view *view, dx_cache_ticket *ticket);
/* After WAIT, with its ticket: WAIT, the error of the failed computation, or the result of another
   begin. */
DX_CACHE_API int dx_cache_poll(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                               dx_cache_view *view, dx_cache_ticket *ticket);
/* Store the answer; ends the computation with any result. ticket NULL: an answer without begin,
   newer than any computation under way. view may be NULL. EOUTDATED, ETOOBIG (above the quota) and
   ENOMEM (views and puts hold too much): not stored; EAGAIN. */
DX_CACHE_API int dx_cache_put(dx_cache *cache, const dx_cache_ticket *ticket,
                              const dx_cache_item *item, uint64_t now_ms, dx_cache_view *view);
/* Revalidate ("304"): the entry of this view is current, and fresh again. Ends the computation.
   ENOTFOUND: the entry is gone, request the whole answer. ttl_ms 0: desc.ttl_ms. */
DX_CACHE_API int dx_cache_renew(dx_cache *cache, const dx_cache_ticket *ticket,
                                const dx_cache_view *view, uint64_t now_ms, uint64_t ttl_ms);
/* The computation failed: nothing is stored, waiters get the error (< 0), later callers start a new
   one. */
DX_CACHE_API int dx_cache_fail(dx_cache *cache, const dx_cache_ticket *ticket, int error,
                               uint64_t now_ms);
DX_CACHE_API void dx_cache_release(dx_cache *cache, dx_cache_view *view); /* empties the view */

/* Invalidate all entries with this tag, and answers with it that are being computed. */
DX_CACHE_API void dx_cache_invalidate(dx_cache *cache, const void *tag, size_t size);
/* The payload of a notification: TAG, or TAG:INSERT, :UPDATE, :DELETE, :TRUNCATE in any case of
   letters. */
DX_CACHE_API void dx_cache_notify(dx_cache *cache, const void *payload, size_t size);
/* Invalidate everything: also after missed notifications. */
DX_CACHE_API void dx_cache_invalidate_all(dx_cache *cache);
/* OK or ENOTFOUND. A computation of the key becomes outdated. */
DX_CACHE_API int dx_cache_remove(dx_cache *cache, const void *key, size_t key_size);
/* Free the memory of at most entries_max invalid entries; returns how many. Puts also do it when
   they need room. */
DX_CACHE_API uint32_t dx_cache_sweep(dx_cache *cache, uint32_t entries_max);
/* All valid entries, in no order, stale ones too. *cursor = 0 begins; ENOTFOUND ends. Release each
   view. */
DX_CACHE_API int dx_cache_next(dx_cache *cache, uint32_t *cursor, dx_cache_view *view);
DX_CACHE_API void dx_cache_get_stats(dx_cache *cache, dx_cache_stats *out);

/* The strong ETag: the hash as 64 hex digits in quotes, and NUL. */
DX_CACHE_API void dx_cache_etag(const dx_cache_view *view, char out[67]);
/* Does an If-None-Match field (RFC 9110, 13.1.2: a list, W/ or not, or an asterisk) name this
   entry? */
DX_CACHE_API bool dx_cache_etag_matches(const dx_cache_view *view, const char *field, size_t size);
/* Append one part of a key, with its length before it, so that different lists of parts are
   different keys. ENOSPACE. */
DX_CACHE_API int dx_cache_key_add(void *key, size_t capacity, size_t *key_size, const void *part,
                                  size_t size);

/* Load a saved cache into an empty one, before other threads use it: least recently stored first.
   Entries that are damaged, or find no room, are dropped. A store without a cache of this name: OK.
   ECORRUPT, EVERSION: its epochs cannot be read; errors of dx_cas.h. After an error the cache is
   empty: load again, or continue without; the next save then deletes the saved entries. */
DX_CACHE_API int dx_cache_load(dx_cache *cache, dx_cas_store *store);
/* Write all changes into the store that was loaded (or a new one), and commit: everything put,
   removed or invalidated before this call is durable when it returns 0, all or nothing. Other
   threads need not stop. After an error call it again (DX_CAS_ENOMEM: grow the store first). One
   thread saves at a time. Entries above the store's object_size_max are not saved. */
DX_CACHE_API int dx_cache_save(dx_cache *cache, dx_cas_store *store);

/* >>extension ----------------------------------------------------------
   For layers that keep data of their own in the memory of a cache, under its lock. As stable as the
   rest. Between lock and unlock only call functions that say so. */
DX_CACHE_API void dx_cache_ext_lock(dx_cache *cache);
DX_CACHE_API void dx_cache_ext_unlock(dx_cache *cache);
/* With the lock held: a block aligned to 16 bytes; may evict entries; NULL: no room. And free one;
   NULL is allowed. Blocks do not count as entries. */
DX_CACHE_API void *dx_cache_ext_alloc(dx_cache *cache, size_t size);
DX_CACHE_API void dx_cache_ext_free(dx_cache *cache, void *block);
/* The keyed hash of keys and tags. With or without the lock. */
DX_CACHE_API uint64_t dx_cache_ext_hash(const dx_cache *cache, const void *data, size_t size);
/* The hash of values, 32 bytes: desc.hash, or dx_cas_hash(). Without the lock. */
DX_CACHE_API void dx_cache_ext_value_hash(const dx_cache *cache, const void *data, size_t size,
                                          uint8_t out[32]);
/* desc.entry_tags_max, or its default. With or without the lock. */
DX_CACHE_API uint32_t dx_cache_ext_tags_max(const dx_cache *cache);
/* End a computation as outdated, for a reason that only the layer knows, as a put does after an
   invalidation. Returns DX_CACHE_EOUTDATED. */
DX_CACHE_API int dx_cache_ext_outdate(dx_cache *cache, const dx_cache_ticket *ticket);
/* Does the view hold an entry? False for an empty view, and for one that a layer filled. */
DX_CACHE_API bool dx_cache_ext_holds(const dx_cache_view *view);

#ifdef __cplusplus
}
#endif
#endif /* DX_CACHE_H */

#if (defined(DX_CACHE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CACHE_IMPLEMENTED)
#define DX_CACHE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_CACHE_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CACHE_ASSERT(c) assert(c)
  #else
    #define DX_CACHE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CACHE_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_CACHE_P_LIBC(name) name
#endif
#ifndef DX_CACHE_MEMCPY
  #define DX_CACHE_MEMCPY DX_CACHE_P_LIBC(memcpy)
#endif
#ifndef DX_CACHE_MEMSET
  #define DX_CACHE_MEMSET DX_CACHE_P_LIBC(memset)
#endif
#ifndef DX_CACHE_MEMCMP
  #define DX_CACHE_MEMCMP DX_CACHE_P_LIBC(memcmp)
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CACHE_P_PREFETCH(p) __builtin_prefetch(p)
#else
  #define DX_CACHE_P_PREFETCH(p) ((void)(p))
#endif

#define DX_CACHE_P_NONE UINT32_MAX
enum { /* dx_cache_entry_.state, see >>entries */
    DX_CACHE_P_FREE,
    DX_CACHE_P_BUSY,
    DX_CACHE_P_LIVE,
    DX_CACHE_P_GONE
};
enum {
    DX_CACHE_P_HEAD = 96, /* bytes of a record before its key */
    DX_CACHE_P_HASH_AT = 64, /* in it: the hash of the value, 32 bytes */
    DX_CACHE_P_KEY_MAX = 65535,
    DX_CACHE_P_BATCH = 32 /* steps for each time the lock is held */
};

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies. */
static uint32_t dx_cache_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_cache_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_cache_p_load32(p) | (uint64_t)dx_cache_p_load32(p + 4) << 32;
}

static void dx_cache_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_cache_p_store64(uint8_t *p, uint64_t v)
{
    dx_cache_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_cache_p_store32(p + 4, (uint32_t)(v >> 32));
}

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), for tables with untrusted
   keys: without the seed, collisions cannot be predicted. One round for each word of the input,
   three at the end. */
static inline uint64_t dx_cache_p_rotate_left(uint64_t v, unsigned n)
{
    DX_CACHE_ASSERT(n > 0 && n < 64);
    return v << n | v >> (64 - n);
}

static inline void dx_cache_p_sip_start(uint64_t v[4], const uint64_t seed[2])
{
    v[0] = seed[0] ^ 0x736f6d6570736575u;
    v[1] = seed[1] ^ 0x646f72616e646f6du;
    v[2] = seed[0] ^ 0x6c7967656e657261u;
    v[3] = seed[1] ^ 0x7465646279746573u;
}

static inline void dx_cache_p_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = dx_cache_p_rotate_left(v[1], 13) ^ v[0];
    v[0] = dx_cache_p_rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = dx_cache_p_rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = dx_cache_p_rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = dx_cache_p_rotate_left(v[1], 17) ^ v[2];
    v[2] = dx_cache_p_rotate_left(v[2], 32);
}

static inline void dx_cache_p_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    dx_cache_p_sip_round(v);
    v[0] ^= word;
}

/* last: the bytes after the last whole word, with the input's size as the highest byte. */
static inline uint64_t dx_cache_p_sip_end(uint64_t v[4], uint64_t last)
{
    unsigned i;
    dx_cache_p_sip_word(v, last);
    v[2] ^= 255;
    for (i = 0; i < 3; i++) dx_cache_p_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
/* <<shared */


static void dx_cache_p_lock(dx_cache *cache)
{
    if (cache->desc_.lock) cache->desc_.lock(cache->desc_.user);
}

static void dx_cache_p_unlock(dx_cache *cache)
{
    if (cache->desc_.unlock) cache->desc_.unlock(cache->desc_.user);
}

/* SipHash, keyed with desc.seed: untrusted keys and tags cannot fill one bucket. */
static uint64_t dx_cache_p_hash(const dx_cache *cache, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    uint64_t v[4];
    uint64_t last = (uint64_t)(size & 255) << 56;
    unsigned i;
    DX_CACHE_ASSERT(data || size == 0);
    dx_cache_p_sip_start(v, cache->desc_.seed);
    for (; size >= 8; p += 8, size -= 8) dx_cache_p_sip_word(v, dx_cache_p_load64(p));
    for (i = 0; i < size; i++) last |= (uint64_t)p[i] << 8 * i;
    return dx_cache_p_sip_end(v, last);
}

DX_CACHE_API const char *dx_cache_error_name(int error)
{
    switch (error) {
#define DX_CACHE_P_NAME(value, constant)                                                           \
    case value: return "DX_CACHE_" #constant;
        DX_CACHE_ERRORS(DX_CACHE_P_NAME)
#undef DX_CACHE_P_NAME
    default: return "unknown error";
    }
}

/* >>arena ---------------------------------------------------------------
   Two-level segregated fit (Masmano et al., "TLSF", 2004): allocating and freeing take a bounded
   number of steps, however full or fragmented the memory is. Sizes are in units of 16 bytes; each
   block begins with one, its header:

       block   | units | units of the block before | prev, next: in its free list | contents ....
                         top bit: this one is free

       arena   [ used 5 ][ free 12      ][ used 3 ][ free 40 ........... ][ end: 0, never free ]

   Free blocks of a similar size are in one list. A class is a row, the size's highest bit, and a
   column, the four bits below it, so that blocks of one list differ by less than 1/16:

       units  100 = 1 1001 00b  ->  row 3 (2^6..), column 9     free_[3][9] -> block -> block
       maps_[row]: which columns have a block     map_: which rows have one

   A request is rounded up to the next class, so the first block of any list from there on is large
   enough, and two find-first-set steps find it. Free neighbours are always merged. */
#define DX_CACHE_P_IS_FREE 0x80000000u
#define DX_CACHE_P_UNITS_MAX (UINT32_C(1) << 30) /* 16 GiB */
#define DX_CACHE_P_BIT(n) (UINT32_C(1) << (n)) /* for ints of 16 bits, where 1u << 20 is 0 */
#define DX_CACHE_P_FROM_BIT(n) (UINT32_MAX << (n))

static unsigned dx_cache_p_low_bit(uint32_t v)
{
    DX_CACHE_ASSERT(v != 0);
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned)__builtin_ctzl(v);
#else
    unsigned n = 0;
    while (!(v >> n & 1)) n++;
    return n;
#endif
}

static unsigned dx_cache_p_high_bit(uint32_t v)
{
    unsigned n = 0, step;
    DX_CACHE_ASSERT(v != 0);
    for (step = 16; step; step /= 2) {
        if (v >> (n + step)) n += step;
    }
    return n;
}

/* The class of a block. Below 16 units each size has a class of its own, all in row 0. */
static void dx_cache_p_class(uint32_t units, unsigned *row, unsigned *column)
{
    unsigned high = units < 16 ? 4 : dx_cache_p_high_bit(units);
    DX_CACHE_ASSERT(units > 0 && units < DX_CACHE_P_UNITS_MAX);
    *row = units < 16 ? 0 : high - 3;
    *column = units >> (high - 4) & 15;
}

/* Insert a free block at the front of its list. */
static void dx_cache_p_list(dx_cache *cache, uint32_t at)
{
    dx_cache_unit_ *unit = &cache->arena_[at];
    unsigned row, column;
    DX_CACHE_ASSERT(unit->units >= 2 && !(unit->before & DX_CACHE_P_IS_FREE));
    dx_cache_p_class(unit->units, &row, &column);
    unit->before |= DX_CACHE_P_IS_FREE;
    unit->prev = DX_CACHE_P_NONE;
    unit->next = cache->free_[row][column];
    if (unit->next != DX_CACHE_P_NONE) cache->arena_[unit->next].prev = at;
    cache->free_[row][column] = at;
    cache->maps_[row] |= DX_CACHE_P_BIT(column);
    cache->map_ |= DX_CACHE_P_BIT(row);
}

/* Remove a block from its free list. */
static void dx_cache_p_unlist(dx_cache *cache, uint32_t at)
{
    dx_cache_unit_ *unit = &cache->arena_[at];
    unsigned row, column;
    DX_CACHE_ASSERT(unit->units >= 2 && (unit->before & DX_CACHE_P_IS_FREE));
    dx_cache_p_class(unit->units, &row, &column);
    unit->before &= ~DX_CACHE_P_IS_FREE;
    if (unit->next != DX_CACHE_P_NONE) cache->arena_[unit->next].prev = unit->prev;
    if (unit->prev != DX_CACHE_P_NONE) {
        cache->arena_[unit->prev].next = unit->next;
        return;
    }
    cache->free_[row][column] = unit->next;
    if (unit->next != DX_CACHE_P_NONE) return;
    cache->maps_[row] &= ~DX_CACHE_P_BIT(column);
    if (!cache->maps_[row]) cache->map_ &= ~DX_CACHE_P_BIT(row);
}

/* Set the size of a block, also in the header of the next one. */
static void dx_cache_p_shape(dx_cache *cache, uint32_t at, uint32_t units)
{
    dx_cache_unit_ *behind = &cache->arena_[at + units];
    DX_CACHE_ASSERT(units > 0);
    cache->arena_[at].units = units;
    behind->before = (behind->before & DX_CACHE_P_IS_FREE) | units;
}

/* Allocate that many bytes, aligned to 16; NULL: no free block is large enough. */
static uint8_t *dx_cache_p_alloc(dx_cache *cache, uint64_t size)
{
    uint64_t wanted = size / 16 + (size % 16 != 0) + 1, rounded = wanted;
    uint32_t at, units = (uint32_t)wanted, rest;
    unsigned row, column;
    if (wanted >= 16 && wanted < DX_CACHE_P_UNITS_MAX) {
        /* round up to the next class: any block of that is large enough */
        rounded += DX_CACHE_P_BIT(dx_cache_p_high_bit(units) - 4) - 1;
    }
    if (rounded >= DX_CACHE_P_UNITS_MAX) return NULL;
    dx_cache_p_class((uint32_t)rounded, &row, &column);
    if (!(cache->maps_[row] & DX_CACHE_P_FROM_BIT(column))) {
        if (!(cache->map_ & DX_CACHE_P_FROM_BIT(row + 1))) return NULL;
        row = dx_cache_p_low_bit(cache->map_ & DX_CACHE_P_FROM_BIT(row + 1));
        column = 0;
    }
    at = cache->free_[row][dx_cache_p_low_bit(cache->maps_[row] & DX_CACHE_P_FROM_BIT(column))];
    DX_CACHE_ASSERT(at != DX_CACHE_P_NONE && cache->arena_[at].units >= units);
    dx_cache_p_unlist(cache, at);
    rest = cache->arena_[at].units - units;
    if (rest >= 2) {
        cache->arena_[at + units].before = 0;
        dx_cache_p_shape(cache, at + units, rest);
        dx_cache_p_shape(cache, at, units);
        dx_cache_p_list(cache, at + units);
    }
    return (uint8_t *)(cache->arena_ + at + 1);
}

/* Free a block (or NULL), and merge it with free neighbours. */
static void dx_cache_p_free(dx_cache *cache, uint8_t *block)
{
    uint32_t at, behind, before;
    if (!block) return;
    at = (uint32_t)((size_t)(block - (uint8_t *)cache->arena_) / sizeof *cache->arena_) - 1;
    DX_CACHE_ASSERT((size_t)(block - (uint8_t *)cache->arena_) % sizeof *cache->arena_ == 0);
    DX_CACHE_ASSERT(!(cache->arena_[at].before & DX_CACHE_P_IS_FREE)); /* no double free */
    behind = at + cache->arena_[at].units;
    DX_CACHE_ASSERT((cache->arena_[behind].before & ~DX_CACHE_P_IS_FREE) ==
                    cache->arena_[at].units);
    before = cache->arena_[at].before;
    if (cache->arena_[behind].before & DX_CACHE_P_IS_FREE) {
        dx_cache_p_unlist(cache, behind);
        dx_cache_p_shape(cache, at, cache->arena_[at].units + cache->arena_[behind].units);
    }
    if (before && (cache->arena_[at - before].before & DX_CACHE_P_IS_FREE)) {
        dx_cache_p_unlist(cache, at - before);
        dx_cache_p_shape(cache, at - before, before + cache->arena_[at].units);
        at -= before;
    }
    dx_cache_p_list(cache, at);
}

/* >>tags ----------------------------------------------------------------
   Each entry has entry_tags_max links, each tag has one that is the head of its ring. Two more
   rings have heads of their own: dead entries and idle tags.

       links_  | of entry 0 | of entry 1 | ... | of the last | heads of tags | dead | idle |
               0            entry_tags_max                   heads_

       tag "users"   head <-> entry 3's link <-> entry 9's link <-> (head)
       invalidated   head <-> (head)     dead <-> ... <-> entry 3's link <-> entry 9's link
       tag unused    idle <-> head of "posts" <-> head of "users" <-> (idle)    oldest first

   An invalidation moves the whole ring to the dead in a few steps, however many entries are in it;
   they become invalid at once, by their epoch (>>invalidation), and are freed later, one by one,
   from the dead (dx_cache_p_bury()). The head of a tag without entries is in the idle ring, and
   keeps its name and epoch until another name replaces it. */
/* Remove a link from its ring. */
static void dx_cache_p_unhang(dx_cache *cache, uint32_t i)
{
    dx_cache_link_ *link = &cache->links_[i];
    DX_CACHE_ASSERT(cache->links_[link->prev].next == i && cache->links_[link->next].prev == i);
    cache->links_[link->prev].next = link->next;
    cache->links_[link->next].prev = link->prev;
    link->prev = link->next = i;
}

/* Append a link to a ring. */
static void dx_cache_p_hang(dx_cache *cache, uint32_t i, uint32_t head)
{
    dx_cache_link_ *link = &cache->links_[i];
    DX_CACHE_ASSERT(link->next == i && link->prev == i); /* in no ring */
    link->next = head;
    link->prev = cache->links_[head].prev;
    cache->links_[link->prev].next = i;
    cache->links_[head].prev = i;
}

/* The heads of the dead and the idle ring. */
static uint32_t dx_cache_p_dead(const dx_cache *cache)
{
    return cache->heads_ + cache->desc_.tags_max;
}
static uint32_t dx_cache_p_idle(const dx_cache *cache)
{
    return cache->heads_ + cache->desc_.tags_max + 1;
}

/* The number of a known tag, or NONE; and the hash of its name. */
static uint32_t dx_cache_p_find_tag(const dx_cache *cache, const void *name, size_t size,
                                    uint64_t *hash)
{
    uint32_t i;
    *hash = dx_cache_p_hash(cache, name, size);
    for (i = cache->tag_buckets_[*hash & cache->tag_mask_]; i != DX_CACHE_P_NONE;
         i = cache->tags_[i].chain) {
        const dx_cache_tag_ *tag = &cache->tags_[i];
        if (tag->hash == *hash && tag->size == size && DX_CACHE_MEMCMP(tag->name, name, size) == 0)
            break;
    }
    return i;
}

/* The number of a tag; a new one replaces the tag that was idle longest, whose last invalidation
   then counts for all forgotten tags (floor_). NONE: all are in use. */
static uint32_t dx_cache_p_tag(dx_cache *cache, const void *name, size_t size)
{
    uint64_t hash;
    uint32_t i = dx_cache_p_find_tag(cache, name, size, &hash);
    uint32_t *at = &cache->tag_buckets_[hash & cache->tag_mask_];
    uint32_t *old;
    dx_cache_tag_ *tag;
    DX_CACHE_ASSERT(size > 0 && size <= DX_CACHE_TAG_MAX);
    if (i != DX_CACHE_P_NONE) return i;
    i = cache->links_[dx_cache_p_idle(cache)].next;
    if (i == dx_cache_p_idle(cache)) return DX_CACHE_P_NONE;
    i -= cache->heads_;
    tag = &cache->tags_[i];
    DX_CACHE_ASSERT(tag->count == 0);
    if (tag->size) { /* remove its former name */
        old = &cache->tag_buckets_[tag->hash & cache->tag_mask_];
        while (*old != i) old = &cache->tags_[*old].chain;
        *old = tag->chain;
        if (cache->floor_ < tag->epoch) cache->floor_ = tag->epoch;
    }
    dx_cache_p_unhang(cache, cache->heads_ + i);
    dx_cache_p_hang(cache, cache->heads_ + i, dx_cache_p_idle(cache));
    DX_CACHE_MEMCPY(tag->name, name, size);
    tag->size = (uint32_t)size;
    tag->hash = hash;
    tag->epoch = 0;
    tag->chain = *at;
    *at = i;
    return i;
}

/* Remove an entry from the rings of its tags (or of the dead). */
static void dx_cache_p_untag(dx_cache *cache, uint32_t entry)
{
    uint32_t i = entry * cache->desc_.entry_tags_max, end = i + cache->entries_[entry].tag_count;
    for (; i < end; i++) {
        uint32_t tag = cache->links_[i].tag;
        DX_CACHE_ASSERT(tag < cache->desc_.tags_max && cache->tags_[tag].count > 0);
        dx_cache_p_unhang(cache, i);
        if (--cache->tags_[tag].count == 0)
            dx_cache_p_hang(cache, cache->heads_ + tag, dx_cache_p_idle(cache));
    }
    cache->entries_[entry].tag_count = 0;
}

/* Add an entry to the rings of the tags in its record. DX_CACHE_ENOMEM: all tags are in use;
   dx_cache_p_untag() undoes the additions. */
static int dx_cache_p_add_tags(dx_cache *cache, uint32_t entry)
{
    dx_cache_entry_ *owner = &cache->entries_[entry];
    const uint8_t *p = owner->block + DX_CACHE_P_HEAD + owner->key_size;
    const uint8_t *end = p + owner->tags_size;
    DX_CACHE_ASSERT(owner->tag_count == 0);
    for (; p < end; p += 1 + *p) {
        uint32_t i = entry * cache->desc_.entry_tags_max + owner->tag_count;
        uint32_t tag = dx_cache_p_tag(cache, p + 1, *p);
        DX_CACHE_ASSERT(owner->tag_count < cache->desc_.entry_tags_max);
        if (tag == DX_CACHE_P_NONE) return DX_CACHE_ENOMEM;
        if (cache->tags_[tag].count++ == 0) dx_cache_p_unhang(cache, cache->heads_ + tag);
        cache->links_[i].tag = tag;
        dx_cache_p_hang(cache, i, cache->heads_ + tag);
        owner->tag_count++;
    }
    return DX_CACHE_OK;
}

/* Was nothing that this entry depends on invalidated since its computation began? */
static bool dx_cache_p_valid(const dx_cache *cache, uint32_t entry)
{
    const dx_cache_entry_ *owner = &cache->entries_[entry];
    const dx_cache_link_ *link = &cache->links_[entry * cache->desc_.entry_tags_max];
    const dx_cache_link_ *end = link + owner->tag_count;
    DX_CACHE_ASSERT(entry < cache->slots_);
    if (owner->epoch < cache->all_epoch_) return false;
    for (; link < end; link++) {
        if (cache->tags_[link->tag].epoch > owner->epoch) return false;
    }
    return true;
}

/* >>entries -------------------------------------------------------------
   An entry is a slot of a table and a block of the arena, the record as it is saved:

       record  [head, 96][key][tags: size, name, ...][pad to 16][value]
       slot    FREE -> BUSY (being filled) -> LIVE (found by key) -> GONE (still viewed) -> FREE

   Live slots are in a chain of their hash bucket, and in the LRU list, whose head is the slot after
   the last one: head.newer is the oldest, head.older the newest. */
/* The bytes of an entry that count for desc.bytes_max: without its header and padding. */
static uint64_t dx_cache_p_size(const dx_cache_entry_ *entry)
{
    return entry->value_size + entry->key_size + entry->tags_size;
}

/* The live slot of a key, or NONE. Its LRU neighbours are prefetched while the key is compared: a
   hit moves the slot in that list, which writes to all three. */
static uint32_t dx_cache_p_find(const dx_cache *cache, uint64_t hash, const void *key, size_t size)
{
    uint32_t i = cache->buckets_[hash & cache->bucket_mask_];
    while (i != DX_CACHE_P_NONE) {
        const dx_cache_entry_ *entry = &cache->entries_[i];
        if (entry->hash == hash) {
            DX_CACHE_P_PREFETCH(&cache->entries_[entry->older]);
            DX_CACHE_P_PREFETCH(&cache->entries_[entry->newer]);
            DX_CACHE_P_PREFETCH(&entry->value_size);
            if (entry->key_size == size &&
                DX_CACHE_MEMCMP(entry->block + DX_CACHE_P_HEAD, key, size) == 0)
                return i;
        }
        i = entry->chain;
    }
    return DX_CACHE_P_NONE;
}

/* Make a slot the most recently used. One that is in no list points at itself. */
static void dx_cache_p_use(dx_cache *cache, uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i], *head = &cache->entries_[cache->slots_];
    DX_CACHE_ASSERT(i < cache->slots_);
    if (head->older == i) return;
    if (entry->older != i) {
        cache->entries_[entry->older].newer = entry->newer;
        cache->entries_[entry->newer].older = entry->older;
    }
    entry->older = head->older;
    entry->newer = cache->slots_;
    cache->entries_[entry->older].newer = i;
    head->older = i;
}

/* Free a slot and its block. */
static void dx_cache_p_free_slot(dx_cache *cache, uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    DX_CACHE_ASSERT(entry->pins == 0 && entry->tag_count == 0 && entry->state != DX_CACHE_P_LIVE);
    dx_cache_p_free(cache, entry->block);
    entry->block = NULL;
    entry->state = DX_CACHE_P_FREE;
    entry->chain = cache->free_slot_;
    cache->free_slot_ = i;
}

/* Release a view: the last one of a removed slot frees it. */
static void dx_cache_p_unpin(dx_cache *cache, uint32_t i)
{
    DX_CACHE_ASSERT(i < cache->slots_ && cache->entries_[i].pins > 0);
    if (--cache->entries_[i].pins == 0 && cache->entries_[i].state == DX_CACHE_P_GONE)
        dx_cache_p_free_slot(cache, i);
}

/* Remove a slot from its key. Its memory stays while it is viewed. */
static void dx_cache_p_remove(dx_cache *cache, uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    uint32_t *at = &cache->buckets_[entry->hash & cache->bucket_mask_];
    DX_CACHE_ASSERT(entry->state == DX_CACHE_P_LIVE);
    while (*at != i) at = &cache->entries_[*at].chain;
    *at = entry->chain;
    cache->entries_[entry->older].newer = entry->newer;
    cache->entries_[entry->newer].older = entry->older;
    entry->older = entry->newer = i;
    dx_cache_p_untag(cache, i);
    cache->stats_.bytes -= dx_cache_p_size(entry);
    cache->stats_.entries--;
    cache->stats_.removed++;
    entry->state = DX_CACHE_P_GONE;
    entry->dirty = true;
    entry->pins++; /* unpinned next: frees the slot unless it is viewed */
    dx_cache_p_unpin(cache, i);
}

/* Make a filled slot, with its tags, the live one of its key, and the most recently used. */
static void dx_cache_p_enter(dx_cache *cache, uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    uint32_t *at = &cache->buckets_[entry->hash & cache->bucket_mask_];
    DX_CACHE_ASSERT(entry->state != DX_CACHE_P_LIVE && entry->block);
    entry->chain = *at;
    *at = i;
    entry->older = entry->newer = i;
    dx_cache_p_use(cache, i);
    entry->state = DX_CACHE_P_LIVE;
    cache->stats_.bytes += dx_cache_p_size(entry);
    cache->stats_.entries++;
}

/* Free one invalid entry: of an invalidated tag, or older than the last invalidation of all. */
static bool dx_cache_p_bury(dx_cache *cache)
{
    /* A link; its entry owns a row of them. */
    uint32_t dead = cache->links_[dx_cache_p_dead(cache)].next;
    uint32_t oldest = cache->entries_[cache->slots_].newer;
    if (dead != dx_cache_p_dead(cache)) {
        dx_cache_p_remove(cache, dead / cache->desc_.entry_tags_max);
    } else if (oldest != cache->slots_ && cache->entries_[oldest].epoch < cache->all_epoch_) {
        dx_cache_p_remove(cache, oldest);
    } else {
        return false;
    }
    return true;
}

/* Remove the least recently used entry, although it is valid. */
static bool dx_cache_p_evict(dx_cache *cache)
{
    uint32_t oldest = cache->entries_[cache->slots_].newer;
    if (oldest == cache->slots_) return false;
    DX_CACHE_ASSERT(cache->entries_[oldest].state == DX_CACHE_P_LIVE);
    dx_cache_p_remove(cache, oldest);
    cache->stats_.removed--;
    cache->stats_.evicted++;
    return true;
}

/* Fill a view, which pins the slot: its bytes stay valid until it is released. */
static void dx_cache_p_show(dx_cache *cache, uint32_t i, dx_cache_view *view)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    DX_CACHE_ASSERT(entry->state == DX_CACHE_P_LIVE && entry->block);
    view->hash = entry->block + DX_CACHE_P_HASH_AT;
    view->key = entry->block + DX_CACHE_P_HEAD;
    view->key_size = entry->key_size;
    view->value = entry->block + entry->value_at;
    view->value_size = (size_t)entry->value_size;
    view->time_ms = entry->time_ms;
    view->expires_ms = entry->expires_ms;
    view->hits = entry->hits;
    view->entry_ = i + 1;
    entry->pins++;
}

/* Is the usage above these bounds, with puts under way, but without the entry to be replaced? */
static bool dx_cache_p_over(const dx_cache *cache, uint32_t old, uint64_t bytes, uint64_t entries)
{
    bool replaces = old != DX_CACHE_P_NONE;
    DX_CACHE_ASSERT(!replaces || cache->stats_.bytes >= dx_cache_p_size(&cache->entries_[old]));
    return cache->stats_.bytes + cache->reserved_bytes_ -
                   (replaces ? dx_cache_p_size(&cache->entries_[old]) : 0) >
               bytes ||
           cache->stats_.entries + cache->reserved_entries_ - replaces > entries;
}

/* Make room for an answer: a slot, a block, and usage within desc. Invalid entries go first. If
   that is not enough, the exceeded bound is lowered to 4/5, so that the least recently used entries
   are evicted in one batch instead of one for each put. The lock is released every DX_CACHE_P_BATCH
   steps, which voids earlier lookups: hence each step looks up the entry to be replaced again.
   DX_CACHE_EAGAIN: puts under way take all the room. */
static int dx_cache_p_reserve(dx_cache *cache, uint64_t hash, const dx_cache_item *item,
                              uint64_t block_size, uint32_t *slot)
{
    uint64_t bytes = cache->desc_.bytes_max, entries = cache->desc_.entries_max;
    unsigned steps;
    uint8_t *block = NULL;
    bool evicting = false;
    for (steps = 1;; steps++) {
        uint32_t old = dx_cache_p_find(cache, hash, item->key, item->key_size);
        if (dx_cache_p_over(cache, old, bytes, entries)) {
            if (!dx_cache_p_bury(cache)) {
                if (!evicting) {
                    if (dx_cache_p_over(cache, old, bytes, UINT64_MAX)) bytes = bytes * 4 / 5;
                    if (dx_cache_p_over(cache, old, UINT64_MAX, entries)) entries = entries * 4 / 5;
                    evicting = true;
                } else if (!dx_cache_p_evict(cache)) {
                    if (dx_cache_p_over(cache, old, cache->desc_.bytes_max,
                                        cache->desc_.entries_max))
                        return DX_CACHE_EAGAIN;
                    bytes = entries = UINT64_MAX; /* empty, and below the bounds: continue */
                }
            }
        } else if (cache->free_slot_ != DX_CACHE_P_NONE &&
                   (block = dx_cache_p_alloc(cache, block_size)) != NULL) {
            break;
        } else if (!dx_cache_p_bury(cache) && !dx_cache_p_evict(cache)) {
            return DX_CACHE_ENOMEM;
        }
        if (steps % DX_CACHE_P_BATCH == 0) {
            dx_cache_p_unlock(cache);
            dx_cache_p_lock(cache);
        }
    }
    DX_CACHE_ASSERT(cache->entries_[cache->free_slot_].state == DX_CACHE_P_FREE);
    *slot = cache->free_slot_;
    cache->free_slot_ = cache->entries_[*slot].chain;
    cache->entries_[*slot].block = block;
    cache->entries_[*slot].state = DX_CACHE_P_BUSY;
    return DX_CACHE_OK;
}

/* >>flights -------------------------------------------------------------
   A flight is a computation under way: one for each key at a time. Its ticket, a number that is
   never reused, decides whose answer is stored:

       begin -> COMPUTE, ticket 7      put with 7: stored, all who wait are woken
       begin -> WAIT, ticket 7         after flight_ms: COMPUTE with ticket 8; put with 7: EOUTDATED

   The flight stores the epoch at which it began. A later invalidation has a higher epoch. */
/* The flight of a ticket, running or ended; NULL: its slot was reused. */
static dx_cache_flight_ *dx_cache_p_flight(dx_cache *cache, const dx_cache_ticket *ticket)
{
    const uint32_t number = ticket->flight_;
    dx_cache_flight_ *flight = number < cache->desc_.flights_max ? &cache->flights_[number] : NULL;
    return flight && ticket->id_ && flight->id == ticket->id_ ? flight : NULL;
}

/* The running flight of a key, or NULL. */
static dx_cache_flight_ *dx_cache_p_flight_of(dx_cache *cache, uint64_t hash, const void *key,
                                              size_t size)
{
    dx_cache_flight_ *flight = cache->flights_, *end = flight + cache->desc_.flights_max;
    for (; flight < end; flight++) {
        if (flight->running && flight->hash == hash && flight->key_size == size &&
            DX_CACHE_MEMCMP(flight->key, key, size) == 0)
            return flight;
    }
    return NULL;
}

/* End a flight. Waiters see its error, or look the key up. */
static void dx_cache_p_land(dx_cache *cache, dx_cache_flight_ *flight, int error)
{
    DX_CACHE_ASSERT(flight->running);
    dx_cache_p_free(cache, flight->key);
    flight->key = NULL;
    flight->running = false;
    flight->error = error;
}

/* This ticket's holder computes from now on; answers with earlier tickets are outdated. */
static void dx_cache_p_depart(dx_cache *cache, dx_cache_flight_ *flight, uint64_t now_ms,
                              dx_cache_ticket *ticket)
{
    DX_CACHE_ASSERT(flight->key && flight >= cache->flights_ &&
                    flight < cache->flights_ + cache->desc_.flights_max);
    flight->id = ++cache->sequence_;
    flight->epoch = cache->epoch_;
    flight->deadline_ms =
        now_ms > UINT64_MAX - cache->desc_.flight_ms ? UINT64_MAX : now_ms + cache->desc_.flight_ms;
    flight->running = true;
    flight->doomed = false;
    ticket->id_ = flight->id;
    ticket->flight_ = (uint32_t)(flight - cache->flights_);
}

/* Begin a flight for a key, in a free slot or in place of a timed-out flight. */
static int dx_cache_p_board(dx_cache *cache, uint64_t hash, const void *key, size_t size,
                            uint64_t now_ms, dx_cache_ticket *ticket)
{
    dx_cache_flight_ *flight = NULL;
    uint8_t *copy;
    uint32_t i;
    for (i = 0; i < cache->desc_.flights_max && !flight; i++) {
        dx_cache_flight_ *one = &cache->flights_[cache->flight_hand_++ % cache->desc_.flights_max];
        if (!one->running || now_ms >= one->deadline_ms) flight = one;
    }
    if (!flight) return DX_CACHE_EAGAIN;
    if (flight->running) dx_cache_p_land(cache, flight, DX_CACHE_OK);
    while ((copy = dx_cache_p_alloc(cache, size)) == NULL) {
        if (!dx_cache_p_bury(cache) && !dx_cache_p_evict(cache)) return DX_CACHE_ENOMEM;
    }
    DX_CACHE_ASSERT(!flight->running && !flight->key);
    DX_CACHE_MEMCPY(copy, key, size);
    flight->key = copy;
    flight->key_size = (uint32_t)size;
    flight->hash = hash;
    dx_cache_p_depart(cache, flight, now_ms, ticket);
    return DX_CACHE_COMPUTE;
}

/* Look a key up, and count it. DX_CACHE_ENOTFOUND, or with the view filled DX_CACHE_OK or ESTALE:
   valid but expired. Invalid entries, and expired ones with desc.drop_expired, are removed. */
static int dx_cache_p_lookup(dx_cache *cache, uint64_t hash, const void *key, size_t size,
                             uint64_t now_ms, dx_cache_view *view)
{
    uint32_t i = dx_cache_p_find(cache, hash, key, size);
    bool fresh = i != DX_CACHE_P_NONE && now_ms < cache->entries_[i].expires_ms;
    if (i != DX_CACHE_P_NONE && dx_cache_p_valid(cache, i)) {
        if (fresh || !cache->desc_.drop_expired) {
            dx_cache_p_use(cache, i);
            cache->entries_[i].hits++;
            if (fresh) cache->stats_.hits++;
            else cache->stats_.stale++;
            dx_cache_p_show(cache, i, view);
            return fresh ? DX_CACHE_OK : DX_CACHE_ESTALE;
        }
        dx_cache_p_remove(cache, i);
    }
    cache->stats_.misses++;
    return DX_CACHE_ENOTFOUND;
}

static bool dx_cache_p_key_ok(const void *key, size_t size)
{
    return key && size > 0 && size <= DX_CACHE_P_KEY_MAX;
}

DX_CACHE_API int dx_cache_get(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                              dx_cache_view *view)
{
    uint64_t hash;
    int result;
    if (!cache || !view || !dx_cache_p_key_ok(key, key_size)) return DX_CACHE_EINVAL;
    DX_CACHE_MEMSET(view, 0, sizeof *view);
    hash = dx_cache_p_hash(cache, key, key_size);
    dx_cache_p_lock(cache);
    result = dx_cache_p_lookup(cache, hash, key, key_size, now_ms, view);
    dx_cache_p_unlock(cache);
    return result;
}

DX_CACHE_API int dx_cache_poll(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                               dx_cache_view *view, dx_cache_ticket *ticket)
{
    dx_cache_flight_ *flight;
    uint64_t hash;
    int result;
    if (!cache || !view || !ticket || !dx_cache_p_key_ok(key, key_size)) return DX_CACHE_EINVAL;
    DX_CACHE_MEMSET(view, 0, sizeof *view);
    hash = dx_cache_p_hash(cache, key, key_size);
    dx_cache_p_lock(cache);
    flight = dx_cache_p_flight(cache, ticket);
    if (flight && !flight->running && flight->error) {
        result = flight->error;
    } else {
        result = dx_cache_p_lookup(cache, hash, key, key_size, now_ms, view);
        if (result != DX_CACHE_OK) {
            flight = dx_cache_p_flight_of(cache, hash, key, key_size);
            if (!flight) {
                result = dx_cache_p_board(cache, hash, key, key_size, now_ms, ticket);
            } else if (now_ms >= flight->deadline_ms || flight->doomed ||
                       flight->epoch < cache->all_epoch_) {
                dx_cache_p_depart(cache, flight, now_ms, ticket);
                result = DX_CACHE_COMPUTE;
            } else {
                ticket->id_ = flight->id;
                ticket->flight_ = (uint32_t)(flight - cache->flights_);
                if (result == DX_CACHE_ENOTFOUND)
                    cache->stats_.misses--; /* the miss of the computing caller counts */
                result = DX_CACHE_WAIT;
            }
        }
    }
    dx_cache_p_unlock(cache);
    return result;
}

DX_CACHE_API int dx_cache_begin(dx_cache *cache, const void *key, size_t key_size, uint64_t now_ms,
                                dx_cache_view *view, dx_cache_ticket *ticket)
{
    if (ticket) ticket->id_ = 0;
    return dx_cache_poll(cache, key, key_size, now_ms, view, ticket);
}

/* End a computation, if this ticket is current, and release the lock. */
static int dx_cache_p_end(dx_cache *cache, const dx_cache_ticket *ticket, int result, int told)
{
    dx_cache_flight_ *flight = dx_cache_p_flight(cache, ticket);
    bool ended = flight && flight->running;
    if (ended) dx_cache_p_land(cache, flight, told);
    if (result == DX_CACHE_EOUTDATED) cache->stats_.outdated++;
    dx_cache_p_unlock(cache);
    if (ended && cache->desc_.wake) cache->desc_.wake(cache->desc_.user);
    return result;
}

/* The computation of this ticket, if its answer may be stored. */
static dx_cache_flight_ *dx_cache_p_current(dx_cache *cache, const dx_cache_ticket *ticket)
{
    dx_cache_flight_ *flight = dx_cache_p_flight(cache, ticket);
    if (!flight || !flight->running || flight->doomed || flight->epoch < cache->floor_) return NULL;
    return flight;
}

/* Was one of its tags invalidated since its computation began? */
static bool dx_cache_p_overtaken(const dx_cache *cache, const dx_cache_item *item, uint64_t epoch)
{
    uint64_t hash;
    uint32_t i, tag;
    for (i = 0; i < item->tag_count; i++) {
        tag = dx_cache_p_find_tag(cache, item->tags[i].data, item->tags[i].size, &hash);
        if (tag != DX_CACHE_P_NONE && cache->tags_[tag].epoch > epoch) return true;
    }
    return false;
}

/* When an answer of now expires; ttl_ms 0: desc.ttl_ms. UINT64_MAX: never. */
static uint64_t dx_cache_p_expiry(const dx_cache *cache, uint64_t now_ms, uint64_t ttl_ms)
{
    uint64_t ttl = ttl_ms ? ttl_ms : cache->desc_.ttl_ms;
    return ttl > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl;
}

/* Bytes of the list of tags in a record; SIZE_MAX: a tag is invalid. */
static size_t dx_cache_p_tags_size(const dx_cache *cache, const dx_cache_item *item)
{
    size_t size = 0;
    uint32_t i;
    if (item->tag_count > cache->desc_.entry_tags_max || (item->tag_count && !item->tags))
        return SIZE_MAX;
    for (i = 0; i < item->tag_count; i++) {
        if (!item->tags[i].data || item->tags[i].size == 0 || item->tags[i].size > DX_CACHE_TAG_MAX)
            return SIZE_MAX;
        size += 1 + item->tags[i].size;
    }
    return size;
}

/* Fill a slot that no other thread sees, without the lock. */
static void dx_cache_p_fill(dx_cache *cache, uint32_t slot, const dx_cache_item *item,
                            size_t tags_size)
{
    dx_cache_entry_ *entry = &cache->entries_[slot];
    uint8_t *p = entry->block + DX_CACHE_P_HEAD;
    uint32_t i;
    DX_CACHE_ASSERT(entry->state == DX_CACHE_P_BUSY);
    DX_CACHE_MEMSET(entry->block, 0, DX_CACHE_P_HEAD);
    DX_CACHE_MEMCPY(p, item->key, item->key_size);
    p += item->key_size;
    for (i = 0; i < item->tag_count; i++, p += 1 + *p) {
        *p = (uint8_t)item->tags[i].size;
        DX_CACHE_MEMCPY(p + 1, item->tags[i].data, item->tags[i].size);
    }
    for (; (p - entry->block) % 16; p++) *p = 0;
    DX_CACHE_ASSERT(p >= entry->block + DX_CACHE_P_HEAD + item->key_size + tags_size);
    entry->key_size = (uint32_t)item->key_size;
    entry->tags_size = (uint32_t)tags_size;
    entry->value_at = (uint32_t)(p - entry->block);
    entry->value_size = item->value_size;
    if (item->value_size) DX_CACHE_MEMCPY(p, item->value, item->value_size);
    if (item->hash) DX_CACHE_MEMCPY(entry->block + DX_CACHE_P_HASH_AT, item->hash, 32);
    else
        cache->desc_.hash(cache->desc_.user, p, item->value_size,
                          entry->block + DX_CACHE_P_HASH_AT);
}

/* With the lock held again: publish the slot as the entry of its key, unless it is outdated. */
static int dx_cache_p_publish(dx_cache *cache, const dx_cache_ticket *ticket, uint32_t slot)
{
    dx_cache_flight_ *flight = dx_cache_p_current(cache, ticket);
    dx_cache_entry_ *entry = &cache->entries_[slot];
    uint32_t old;
    int error;
    DX_CACHE_ASSERT(entry->state == DX_CACHE_P_BUSY);
    if (!flight) return DX_CACHE_EOUTDATED;
    entry->epoch = flight->epoch;
    entry->hash = flight->hash;
    error = dx_cache_p_add_tags(cache, slot);
    if (error == DX_CACHE_OK && (entry->epoch < cache->floor_ || !dx_cache_p_valid(cache, slot)))
        error = DX_CACHE_EOUTDATED;
    if (error != DX_CACHE_OK) {
        dx_cache_p_untag(cache, slot);
        return error;
    }
    old = dx_cache_p_find(cache, entry->hash, entry->block + DX_CACHE_P_HEAD, entry->key_size);
    if (old != DX_CACHE_P_NONE) dx_cache_p_remove(cache, old);
    entry->sequence = ++cache->sequence_;
    entry->hits = 0;
    entry->dirty = true;
    dx_cache_p_enter(cache, slot);
    return DX_CACHE_OK;
}

/* The steps of a put, with the lock held at both ends. */
static int dx_cache_p_store(dx_cache *cache, dx_cache_ticket *ticket, const dx_cache_item *item,
                            size_t tags_size, uint64_t now_ms, dx_cache_view *view)
{
    uint64_t hash = dx_cache_p_hash(cache, item->key, item->key_size);
    uint64_t size = (uint64_t)item->value_size + item->key_size + tags_size;
    dx_cache_flight_ *flight = dx_cache_p_flight(cache, ticket);
    uint32_t slot = DX_CACHE_P_NONE, i;
    int error = DX_CACHE_OK;
    if (ticket->id_ == 0) {
        flight = dx_cache_p_flight_of(cache, hash, item->key, item->key_size);
        if (flight) dx_cache_p_depart(cache, flight, now_ms, ticket);
        else error = dx_cache_p_board(cache, hash, item->key, item->key_size, now_ms, ticket);
    } else if (flight && flight->running &&
               (flight->hash != hash || flight->key_size != item->key_size ||
                DX_CACHE_MEMCMP(flight->key, item->key, item->key_size) != 0)) {
        return DX_CACHE_EINVAL;
    }
    if (error < 0) return error;
    flight = dx_cache_p_current(cache, ticket);
    if (!flight || dx_cache_p_overtaken(cache, item, flight->epoch))
        return DX_CACHE_EOUTDATED; /* do not evict anything for it */
    if (size > cache->desc_.bytes_max) return DX_CACHE_ETOOBIG;
    for (i = 0; i < DX_CACHE_P_BATCH / 4 && dx_cache_p_bury(cache); i++) {}
    cache->reserved_bytes_ += size;
    cache->reserved_entries_++;
    error = dx_cache_p_reserve(cache, hash, item, DX_CACHE_P_HEAD + 16 + size, &slot);
    if (error == DX_CACHE_OK) {
        DX_CACHE_ASSERT(slot < cache->slots_);
        dx_cache_p_unlock(cache);
        dx_cache_p_fill(cache, slot, item, tags_size);
        dx_cache_p_lock(cache);
        cache->entries_[slot].time_ms = now_ms;
        cache->entries_[slot].expires_ms = dx_cache_p_expiry(cache, now_ms, item->ttl_ms);
        error = dx_cache_p_publish(cache, ticket, slot);
        if (error != DX_CACHE_OK) dx_cache_p_free_slot(cache, slot);
    }
    DX_CACHE_ASSERT(cache->reserved_bytes_ >= size && cache->reserved_entries_ > 0);
    cache->reserved_bytes_ -= size;
    cache->reserved_entries_--;
    if (error != DX_CACHE_OK) return error;
    cache->stats_.puts++;
    if (item->patch_size) cache->stats_.patches++;
    if (item->patch_size && item->patch_size < item->value_size) {
        cache->stats_.saved_bytes += item->value_size - item->patch_size;
    }
    if (view) dx_cache_p_show(cache, slot, view);
    return DX_CACHE_OK;
}

DX_CACHE_API int dx_cache_put(dx_cache *cache, const dx_cache_ticket *ticket,
                              const dx_cache_item *item, uint64_t now_ms, dx_cache_view *view)
{
    dx_cache_ticket own = {0, 0};
    size_t tags_size;
    int result;
    if (view) DX_CACHE_MEMSET(view, 0, sizeof *view);
    if (!cache || !item || !dx_cache_p_key_ok(item->key, item->key_size) ||
        (!item->value && item->value_size)) {
        return DX_CACHE_EINVAL;
    }
    tags_size = dx_cache_p_tags_size(cache, item);
    if (tags_size == SIZE_MAX || (ticket && ticket->id_ == 0)) return DX_CACHE_EINVAL;
    if (ticket) own = *ticket;
    dx_cache_p_lock(cache);
    result = dx_cache_p_store(cache, &own, item, tags_size, now_ms, view);
    if (result == DX_CACHE_EINVAL) {
        dx_cache_p_unlock(cache);
        return result;
    }
    return dx_cache_p_end(cache, &own, result, result == DX_CACHE_EOUTDATED ? DX_CACHE_OK : result);
}

DX_CACHE_API int dx_cache_renew(dx_cache *cache, const dx_cache_ticket *ticket,
                                const dx_cache_view *view, uint64_t now_ms, uint64_t ttl_ms)
{
    dx_cache_flight_ *flight;
    dx_cache_entry_ *entry;
    int result = DX_CACHE_ENOTFOUND;
    if (!cache || !ticket) return DX_CACHE_EINVAL;
    dx_cache_p_lock(cache);
    flight = dx_cache_p_current(cache, ticket);
    if (!flight) {
        result = DX_CACHE_EOUTDATED;
    } else if (view && view->entry_) {
        entry = &cache->entries_[view->entry_ - 1];
        if (entry->state == DX_CACHE_P_LIVE && entry->hash == flight->hash &&
            dx_cache_p_valid(cache, view->entry_ - 1)) {
            entry->time_ms = now_ms;
            entry->expires_ms = dx_cache_p_expiry(cache, now_ms, ttl_ms);
            entry->epoch = flight->epoch;
            entry->dirty = true;
            cache->stats_.renewals++;
            cache->stats_.saved_bytes += entry->value_size;
            result = DX_CACHE_OK;
        }
    }
    return dx_cache_p_end(cache, ticket, result, DX_CACHE_OK);
}

DX_CACHE_API int dx_cache_fail(dx_cache *cache, const dx_cache_ticket *ticket, int error,
                               uint64_t now_ms)
{
    (void)now_ms;
    if (!cache || !ticket || error >= 0) return DX_CACHE_EINVAL;
    dx_cache_p_lock(cache);
    if (dx_cache_p_current(cache, ticket)) cache->stats_.failed++;
    return dx_cache_p_end(cache, ticket, DX_CACHE_OK, error);
}

DX_CACHE_API void dx_cache_release(dx_cache *cache, dx_cache_view *view)
{
    DX_CACHE_ASSERT(view);
    if (!view->entry_) return;
    dx_cache_p_lock(cache);
    dx_cache_p_unpin(cache, view->entry_ - 1);
    dx_cache_p_unlock(cache);
    DX_CACHE_MEMSET(view, 0, sizeof *view);
}

/* >>invalidation --------------------------------------------------------
   Epochs count invalidations. An entry is valid while neither one of its tags nor everything has a
   later epoch than its own, so that any number of entries becomes invalid in one step. floor_ is
   the latest epoch of forgotten tags: answers whose computation began before it are not stored.

       epoch_      1            2                3                 4
                   | "users"    | "posts"        | "users"         | all
       computed          A: 1         B: 2             C: 3               D: 4
       has the tag       users        users            users              any
       valid             no (3 > 1)   no (3 > 2)       no (4 > 3)         yes

   An entry has the epoch at which its computation began, not that at which it was stored: it may
   lack changes that were invalidated in between. */
DX_CACHE_API void dx_cache_invalidate(dx_cache *cache, const void *tag, size_t size)
{
    uint32_t i, head, dead, first, last;
    if (!tag || size == 0 || size > DX_CACHE_TAG_MAX) return; /* no entry can have it */
    dx_cache_p_lock(cache);
    i = dx_cache_p_tag(cache, tag, size);
    cache->epoch_++;
    if (i == DX_CACHE_P_NONE) {
        cache->floor_ = cache->epoch_; /* no entry has it, but an answer under way may */
    } else {
        cache->tags_[i].epoch = cache->epoch_;
        head = cache->heads_ + i;
        dead = dx_cache_p_dead(cache);
        first = cache->links_[head].next;
        last = cache->links_[head].prev;
        if (cache->tags_[i].count == 0) { /* idle: make it the last to be forgotten */
            dx_cache_p_unhang(cache, head);
            dx_cache_p_hang(cache, head, dx_cache_p_idle(cache));
        } else if (first != head) { /* move its whole ring to the dead */
            DX_CACHE_ASSERT(cache->links_[first].tag == i && cache->links_[last].tag == i);
            cache->links_[first].prev = cache->links_[dead].prev;
            cache->links_[cache->links_[dead].prev].next = first;
            cache->links_[last].next = dead;
            cache->links_[dead].prev = last;
            cache->links_[head].next = cache->links_[head].prev = head;
        }
    }
    dx_cache_p_unlock(cache);
}

DX_CACHE_API void dx_cache_notify(dx_cache *cache, const void *payload, size_t size)
{
    static const char *const ops[] = {":INSERT", ":UPDATE", ":DELETE", ":TRUNCATE"};
    const char *text = (const char *)payload;
    unsigned i;
    for (i = 0; i < 4; i++) {
        size_t n = i == 3 ? 9 : 7, k = 0;
        while (size > n && k < n && (text[size - n + k] & (k ? 0x5f : 0x7f)) == ops[i][k]) k++;
        if (k < n) continue;
        size -= n;
        break;
    }
    dx_cache_invalidate(cache, payload, size);
}

DX_CACHE_API void dx_cache_invalidate_all(dx_cache *cache)
{
    dx_cache_p_lock(cache);
    cache->all_epoch_ = cache->floor_ = ++cache->epoch_;
    dx_cache_p_unlock(cache);
}

DX_CACHE_API int dx_cache_remove(dx_cache *cache, const void *key, size_t key_size)
{
    dx_cache_flight_ *flight;
    uint64_t hash;
    uint32_t i;
    bool valid;
    if (!cache || !dx_cache_p_key_ok(key, key_size)) return DX_CACHE_EINVAL;
    hash = dx_cache_p_hash(cache, key, key_size);
    dx_cache_p_lock(cache);
    flight = dx_cache_p_flight_of(cache, hash, key, key_size);
    if (flight) flight->doomed = true;
    i = dx_cache_p_find(cache, hash, key, key_size);
    valid = i != DX_CACHE_P_NONE && dx_cache_p_valid(cache, i);
    if (i != DX_CACHE_P_NONE) dx_cache_p_remove(cache, i);
    dx_cache_p_unlock(cache);
    return valid ? DX_CACHE_OK : DX_CACHE_ENOTFOUND;
}

DX_CACHE_API uint32_t dx_cache_sweep(dx_cache *cache, uint32_t entries_max)
{
    uint32_t done = 0;
    dx_cache_p_lock(cache);
    while (done < entries_max && dx_cache_p_bury(cache)) {
        if (++done % DX_CACHE_P_BATCH) continue;
        dx_cache_p_unlock(cache);
        dx_cache_p_lock(cache);
    }
    dx_cache_p_unlock(cache);
    return done;
}

DX_CACHE_API int dx_cache_next(dx_cache *cache, uint32_t *cursor, dx_cache_view *view)
{
    int result = DX_CACHE_ENOTFOUND;
    unsigned steps = 0;
    DX_CACHE_MEMSET(view, 0, sizeof *view);
    dx_cache_p_lock(cache);
    while (*cursor < cache->slots_ && result != DX_CACHE_OK) {
        uint32_t i = (*cursor)++;
        if (cache->entries_[i].state == DX_CACHE_P_LIVE && dx_cache_p_valid(cache, i)) {
            dx_cache_p_show(cache, i, view);
            result = DX_CACHE_OK;
        } else if (++steps % DX_CACHE_P_BATCH == 0) {
            dx_cache_p_unlock(cache);
            dx_cache_p_lock(cache);
        }
    }
    dx_cache_p_unlock(cache);
    return result;
}

DX_CACHE_API void dx_cache_get_stats(dx_cache *cache, dx_cache_stats *out)
{
    dx_cache_p_lock(cache);
    *out = cache->stats_;
    dx_cache_p_unlock(cache);
}

/* >>etag ----------------------------------------------------------------
   The hash of the value, as an entity tag of RFC 9110. If-None-Match lists some, or has a star:

       "64 hex digits"        W/"...", "..."        *        weak comparison: ignores W/ */
DX_CACHE_API void dx_cache_etag(const dx_cache_view *view, char out[67])
{
    static const char digits[] = "0123456789abcdef";
    unsigned i;
    DX_CACHE_ASSERT(view && view->hash);
    out[0] = out[65] = '"';
    out[66] = 0;
    for (i = 0; i < 64; i++) out[1 + i] = digits[view->hash[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

DX_CACHE_API bool dx_cache_etag_matches(const dx_cache_view *view, const char *field, size_t size)
{
    char tag[67];
    size_t i = 0, end;
    DX_CACHE_ASSERT(view && (field || size == 0));
    if (!view->entry_) return false;
    dx_cache_etag(view, tag);
    while (i < size) {
        if (field[i] == ' ' || field[i] == '\t' || field[i] == ',') {
            i++;
            continue;
        }
        if (field[i] == '*') return true;
        if (size - i > 2 && field[i] == 'W' && field[i + 1] == '/') i += 2;
        if (field[i] != '"') return false; /* not a list of entity tags */
        for (end = i + 1; end < size && field[end] != '"'; end++) {}
        if (end == size) return false;
        if (end + 1 - i == 66 && DX_CACHE_MEMCMP(field + i, tag, 66) == 0) return true;
        i = end + 1;
    }
    return false;
}

DX_CACHE_API int dx_cache_key_add(void *key, size_t capacity, size_t *key_size, const void *part,
                                  size_t size)
{
    uint8_t *p = (uint8_t *)key + *key_size;
    DX_CACHE_ASSERT(key && (part || size == 0));
    if (capacity < *key_size || capacity - *key_size < 4 || size > capacity - *key_size - 4)
        return DX_CACHE_ENOSPACE;
    dx_cache_p_store32(p, (uint32_t)size);
    if (size) DX_CACHE_MEMCPY(p + 4, part, size);
    *key_size += 4 + size;
    return DX_CACHE_OK;
}

/* >>memory --------------------------------------------------------------
   desc.memory is divided once. The tables have a fixed size; the arena gets the rest, for all data
   of varying size: records, keys of flights, and the epochs while dx_cache_save() writes them.

       | to 64 | entries_ | links_ | tags_ | flights_ | buckets_ | tag_buckets_ | arena_ .... |
                 slots+1    >>tags                      powers of two, at least one for each

   slots = entries_max + held_max: a removed entry that is still viewed keeps its slot, and must not
   block another one. bytes_max is the callers' count, keys and values; the arena needs more for
   headers, padding and fragmentation, which dx_cache_memory_size() adds. */
/* BLAKE3, from dx_cas.h: the default of desc.hash. */
static void dx_cache_p_default_hash(void *user, const void *data, size_t size, uint8_t out[32])
{
    dx_cas_id id;
    (void)user;
    dx_cas_hash(data, size, &id);
    DX_CACHE_MEMCPY(out, id.bytes, 32);
}

/* Bytes of desc.name; more than DX_CACHE_NAME_MAX: too long. */
static size_t dx_cache_p_length(const char *text)
{
    size_t n = 0;
    DX_CACHE_ASSERT(text);
    while (n <= DX_CACHE_NAME_MAX && text[n]) n++;
    return n;
}

/* Replace zeros by the defaults; false: a field is above its limit. */
static bool dx_cache_p_defaults(dx_cache_desc *full)
{
    if (!full->bytes_max) full->bytes_max = (uint64_t)50 << 20;
    if (!full->entries_max) full->entries_max = 100;
    if (!full->ttl_ms) full->ttl_ms = 7 * (uint64_t)86400000;
    if (!full->tags_max) full->tags_max = 1024;
    if (!full->entry_tags_max) full->entry_tags_max = 8;
    if (!full->flights_max) full->flights_max = 64;
    if (!full->flight_ms) full->flight_ms = 30000;
    if (!full->held_max) full->held_max = 64;
    if (!full->name) full->name = "cache";
    if (!full->hash) full->hash = dx_cache_p_default_hash;
    return full->bytes_max <= (uint64_t)1 << 33 && full->entries_max <= DX_CACHE_P_BIT(26) &&
           full->tags_max <= DX_CACHE_P_BIT(20) && full->entry_tags_max <= DX_CACHE_TAGS_MAX &&
           full->flights_max <= DX_CACHE_P_BIT(16) && full->held_max <= DX_CACHE_P_BIT(20) &&
           dx_cache_p_length(full->name) <= DX_CACHE_NAME_MAX && !full->lock == !full->unlock;
}

/* The smallest one that is >= n. */
static uint32_t dx_cache_p_power_of_two(uint32_t n)
{
    uint32_t p = 1;
    DX_CACHE_ASSERT(n <= DX_CACHE_P_BIT(31));
    while (p < n) p *= 2;
    return p;
}

/* Lay out the tables in the memory; the arena follows. base NULL: only their size. */
static uint64_t dx_cache_p_tables(dx_cache *cache, const dx_cache_desc *full, uint8_t *base)
{
    uint32_t slots = full->entries_max + full->held_max, heads = slots * full->entry_tags_max;
    uint32_t buckets = dx_cache_p_power_of_two(slots);
    uint32_t tag_buckets = dx_cache_p_power_of_two(full->tags_max);
    uint64_t at = 0;
    DX_CACHE_ASSERT((uintptr_t)base % 64 == 0);
#define DX_CACHE_P_TABLE(field, type, count)                                                       \
    if (base) cache->field = (type *)(void *)(base + (size_t)at);                                  \
    at += ((uint64_t)(count) * sizeof(type) + 63) / 64 * 64
    DX_CACHE_P_TABLE(entries_, dx_cache_entry_, (uint64_t)slots + 1);
    DX_CACHE_P_TABLE(links_, dx_cache_link_, (uint64_t)heads + full->tags_max + 2);
    DX_CACHE_P_TABLE(tags_, dx_cache_tag_, full->tags_max);
    DX_CACHE_P_TABLE(flights_, dx_cache_flight_, full->flights_max);
    DX_CACHE_P_TABLE(buckets_, uint32_t, buckets);
    DX_CACHE_P_TABLE(tag_buckets_, uint32_t, tag_buckets);
    DX_CACHE_P_TABLE(arena_, dx_cache_unit_, 0);
#undef DX_CACHE_P_TABLE
    if (base) {
        cache->slots_ = slots;
        cache->heads_ = heads;
        cache->bucket_mask_ = buckets - 1;
        cache->tag_mask_ = tag_buckets - 1;
    }
    return at;
}

DX_CACHE_API size_t dx_cache_memory_size(const dx_cache_desc *desc)
{
    dx_cache_desc full = *desc;
    uint64_t size;
    if (!dx_cache_p_defaults(&full)) return 0;
    /* 1/8 for fragmentation; for each entry its record's header, padding and class */
    size = 128 + dx_cache_p_tables(NULL, &full, NULL) + full.bytes_max + full.bytes_max / 8 +
           65536 + ((uint64_t)full.entries_max + full.held_max) * (DX_CACHE_P_HEAD + 64) +
           (uint64_t)full.flights_max * 64 + (uint64_t)full.tags_max * 144;
    return size > SIZE_MAX ? 0 : (size_t)size;
}

/* Reset: each link is a ring of itself, all slots are free, all tags idle. */
static void dx_cache_p_start(dx_cache *cache)
{
    uint32_t i, j;
    DX_CACHE_ASSERT(cache->slots_ > 0);
    for (i = 0; i <= cache->slots_; i++) {
        cache->entries_[i].older = cache->entries_[i].newer = i;
        cache->entries_[i].chain = i + 1 < cache->slots_ ? i + 1 : DX_CACHE_P_NONE;
    }
    for (i = 0; i < cache->heads_ + cache->desc_.tags_max + 2; i++)
        cache->links_[i].prev = cache->links_[i].next = i;
    for (i = 0; i < cache->desc_.tags_max; i++)
        dx_cache_p_hang(cache, cache->heads_ + i, dx_cache_p_idle(cache));
    for (i = 0; i <= cache->bucket_mask_; i++) cache->buckets_[i] = DX_CACHE_P_NONE;
    for (i = 0; i <= cache->tag_mask_; i++) cache->tag_buckets_[i] = DX_CACHE_P_NONE;
    for (i = 0; i < DX_CACHE_CLASSES_; i++) {
        for (j = 0; j < 16; j++) cache->free_[i][j] = DX_CACHE_P_NONE;
    }
}

DX_CACHE_API int dx_cache_init(dx_cache *cache, const dx_cache_desc *desc)
{
    uint64_t tables, size;
    uint8_t *base;
    if (!cache || !desc || !desc->memory) return DX_CACHE_EINVAL;
    DX_CACHE_MEMSET(cache, 0, sizeof *cache);
    cache->desc_ = *desc;
    if (!dx_cache_p_defaults(&cache->desc_)) return DX_CACHE_EINVAL;
    base = (uint8_t *)desc->memory + (64 - (uintptr_t)desc->memory % 64) % 64;
    tables = dx_cache_p_tables(NULL, &cache->desc_, NULL);
    size = desc->memory_size;
    if (size < 64 || size - 64 < tables || size - 64 - tables < 4096) return DX_CACHE_ENOMEM;
    size = (size - 64 - tables) / sizeof *cache->arena_;
    if (size > DX_CACHE_P_UNITS_MAX - 1) size = DX_CACHE_P_UNITS_MAX - 1;
    DX_CACHE_MEMSET(base, 0, (size_t)tables);
    (void)dx_cache_p_tables(cache, &cache->desc_, base);
    dx_cache_p_start(cache);
    cache->arena_[0].before = cache->arena_[size - 1].before = 0;
    cache->arena_[size - 1].units = 0;
    dx_cache_p_shape(cache, 0, (uint32_t)size - 1);
    dx_cache_p_list(cache, 0);
    return DX_CACHE_OK;
}

/* >>store ---------------------------------------------------------------
   Each slot has a name in the store, NAME/number, and its record is the object (>>entries: the
   block of the arena is written unchanged). NAME/epochs has everything else.

       record   0      4     6      8      12     16      24    32      40      48    56    64
                | DXCE | 1 0 | tags | key  | tags | value | time| expiry| epoch | put | hits| hash
                |      |     | count| size | size | size  |     |       |       | no. |     | 32 B
       epochs   | DXCS | 1 0 | 0  0 | count| 0    | epoch_| floor_| all_ | put no. | tags: epoch,
                |      |     |      |      |      |       |       | epoch_|        | size, name...

   A save writes only changed slots (dirty), and deletes names whose entry is gone (saved but not
   live). The epochs come last, in the same commit: an entry with a later invalidation than those
   would become valid again. The lock is released during each write, and the record is pinned.

   A load treats the store as untrusted input: it checks sizes, tags, the value's hash, and that no
   number is above those of the epochs. A bad record is counted and skipped. Entries are loaded in
   the order of names, so at the end they are sorted by the order in which they were put. */
enum {
    DX_CACHE_P_STATE_HEAD = 48, /* of the object of epochs, before the tags */
    DX_CACHE_P_SLOT_NAME = DX_CACHE_NAME_MAX + 16,
    DX_CACHE_P_FOREIGN = 32 /* names deleted between two walks through all */
};

/* The name of a slot; NONE: that of the epochs. */
static void dx_cache_p_name(const dx_cache *cache, uint32_t slot, char *out)
{
    size_t n = dx_cache_p_length(cache->desc_.name), digits = 1;
    uint32_t v;
    DX_CACHE_MEMCPY(out, cache->desc_.name, n);
    out[n++] = '/';
    if (slot == DX_CACHE_P_NONE) {
        DX_CACHE_MEMCPY(out + n, "epochs", 7);
        return;
    }
    for (v = slot; v >= 10; v /= 10) digits++;
    DX_CACHE_ASSERT(n + digits < DX_CACHE_P_SLOT_NAME);
    out[n + digits] = 0;
    for (v = slot; digits > 0; v /= 10) out[n + --digits] = (char)('0' + v % 10);
}

/* The number of the slot with this name; NONE: not the name of a slot. */
static uint32_t dx_cache_p_number(const dx_cache *cache, const char *name)
{
    size_t n = dx_cache_p_length(cache->desc_.name);
    char same[DX_CACHE_P_SLOT_NAME];
    uint64_t v = 0;
    const char *p;
    if (DX_CACHE_MEMCMP(name, cache->desc_.name, n) != 0 || name[n] != '/') return DX_CACHE_P_NONE;
    for (p = name + n + 1; *p >= '0' && *p <= '9' && v < UINT32_MAX; p++)
        v = v * 10 + (uint64_t)(*p - '0');
    if (v >= UINT32_MAX) return DX_CACHE_P_NONE;
    dx_cache_p_name(cache, (uint32_t)v, same);
    for (n = 0; same[n] && same[n] == name[n]; n++) {}
    return same[n] == name[n] ? (uint32_t)v : DX_CACHE_P_NONE;
}

/* Put an object, and make it the only version of a slot's name. */
static int dx_cache_p_write(dx_cache *cache, dx_cas_store *store, uint32_t slot,
                            const uint8_t *data, size_t size, uint64_t time_ms)
{
    dx_cas_ref ref;
    uint64_t version;
    int error;
    DX_CACHE_ASSERT(data && size > 0);
    DX_CACHE_MEMSET(&ref, 0, sizeof ref);
    dx_cache_p_name(cache, slot, ref.name);
    error = dx_cas_put(store, data, size, &ref.root);
    if (error != DX_CAS_OK) return error;
    ref.content = ref.root;
    ref.size = size;
    ref.time_ns = time_ms > UINT64_MAX / 1000000 ? UINT64_MAX : time_ms * 1000000;
    error = dx_cas_ref_set(store, &ref, DX_CAS_ANY_VERSION, &version);
    return error == DX_CAS_OK && version > 1 ? dx_cas_ref_trim(store, ref.name, version) : error;
}

/* Delete the name of a slot, if it has one. */
static int dx_cache_p_forget(dx_cache *cache, dx_cas_store *store, uint32_t slot)
{
    char name[DX_CACHE_P_SLOT_NAME];
    int error;
    dx_cache_p_name(cache, slot, name);
    error = dx_cas_ref_delete(store, name, DX_CAS_ANY_VERSION);
    return error == DX_CAS_ENOTFOUND ? DX_CAS_OK : error;
}

/* Update the header of a record. The hash is set when the slot is filled. */
static void dx_cache_p_encode(const dx_cache_entry_ *entry)
{
    uint8_t *p = entry->block;
    DX_CACHE_ASSERT(p && entry->state == DX_CACHE_P_LIVE);
    DX_CACHE_MEMCPY(p, "DXCE\1\0", 6);
    p[6] = entry->tag_count;
    dx_cache_p_store32(p + 8, entry->key_size);
    dx_cache_p_store32(p + 12, entry->tags_size);
    dx_cache_p_store64(p + 16, entry->value_size);
    dx_cache_p_store64(p + 24, entry->time_ms);
    dx_cache_p_store64(p + 32, entry->expires_ms);
    dx_cache_p_store64(p + 40, entry->epoch);
    dx_cache_p_store64(p + 48, entry->sequence);
    dx_cache_p_store64(p + 56, entry->hits);
}

/* Save the changes of one slot; the lock is held at both ends. */
static int dx_cache_p_save_slot(dx_cache *cache, dx_cas_store *store, uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    bool keep = entry->state == DX_CACHE_P_LIVE && dx_cache_p_valid(cache, i), had = entry->saved;
    uint64_t size = 0, time_ms = entry->time_ms;
    const uint8_t *block = entry->block;
    int error = DX_CAS_OK;
    DX_CACHE_ASSERT(i < cache->slots_);
    if (keep ? !entry->dirty : !had) return DX_CAS_OK; /* nothing to write or delete */
    entry->dirty = false;
    entry->saved = keep;
    if (keep) {
        entry->pins++;
        size = entry->value_at + entry->value_size;
        dx_cache_p_encode(entry);
    }
    dx_cache_p_unlock(cache);
    if (keep) {
        error = dx_cache_p_write(cache, store, i, block, (size_t)size, time_ms);
        if (error == DX_CAS_ETOOBIG) error = had ? dx_cache_p_forget(cache, store, i) : DX_CAS_OK;
    } else {
        error = dx_cache_p_forget(cache, store, i);
    }
    dx_cache_p_lock(cache);
    if (keep) dx_cache_p_unpin(cache, i);
    return error;
}

/* Save the epochs of all tags. They are read after the entries, so that no entry is saved without
   the invalidations before it. */
static int dx_cache_p_save_epochs(dx_cache *cache, dx_cas_store *store)
{
    uint64_t room =
        DX_CACHE_P_STATE_HEAD + (uint64_t)cache->desc_.tags_max * (9 + DX_CACHE_TAG_MAX);
    uint8_t *block, *p;
    uint32_t i, count = 0;
    int error;
    while ((block = dx_cache_p_alloc(cache, room)) == NULL) {
        if (!dx_cache_p_bury(cache) && !dx_cache_p_evict(cache)) return DX_CACHE_ENOMEM;
    }
    p = block + DX_CACHE_P_STATE_HEAD;
    for (i = 0; i < cache->desc_.tags_max; i++) {
        const dx_cache_tag_ *tag = &cache->tags_[i];
        if (tag->epoch) {
            dx_cache_p_store64(p, tag->epoch);
            p[8] = (uint8_t)tag->size;
            DX_CACHE_MEMCPY(p + 9, tag->name, tag->size);
            p += 9 + tag->size;
            count++;
        }
        if (i % DX_CACHE_P_BATCH) continue;
        dx_cache_p_unlock(cache);
        dx_cache_p_lock(cache);
    }
    DX_CACHE_ASSERT((uint64_t)(p - block) <= room);
    DX_CACHE_MEMCPY(block, "DXCS\1\0\0", 8);
    dx_cache_p_store32(block + 8, count);
    dx_cache_p_store32(block + 12, 0);
    dx_cache_p_store64(block + 16, cache->epoch_);
    dx_cache_p_store64(block + 24, cache->floor_);
    dx_cache_p_store64(block + 32, cache->all_epoch_);
    dx_cache_p_store64(block + 40, cache->sequence_);
    dx_cache_p_unlock(cache);
    error = dx_cache_p_write(cache, store, DX_CACHE_P_NONE, block, (size_t)(p - block), 0);
    dx_cache_p_lock(cache);
    dx_cache_p_free(cache, block);
    return error;
}

/* Delete names of slots beyond this cache's, left by a larger cache. A deletion ends the walk
   through all names, so they are collected in batches. */
static int dx_cache_p_forget_foreign(dx_cache *cache, dx_cas_store *store)
{
    uint32_t found[DX_CACHE_P_FOREIGN], count, i;
    int error = DX_CAS_OK;
    do {
        dx_cas_ref ref;
        uint64_t cursor = 0;
        count = 0;
        while (count < DX_CACHE_P_FOREIGN &&
               (error = dx_cas_ref_next(store, &cursor, &ref)) == DX_CAS_OK) {
            i = dx_cache_p_number(cache, ref.name);
            if (i != DX_CACHE_P_NONE && i >= cache->slots_) found[count++] = i;
        }
        if (count < DX_CACHE_P_FOREIGN && error != DX_CAS_ENOTFOUND) return error;
        error = DX_CAS_OK;
        for (i = 0; error == DX_CAS_OK && i < count; i++)
            error = dx_cache_p_forget(cache, store, found[i]);
    } while (error == DX_CAS_OK && count == DX_CACHE_P_FOREIGN);
    return error;
}

DX_CACHE_API int dx_cache_save(dx_cache *cache, dx_cas_store *store)
{
    uint32_t i;
    int error = DX_CAS_OK;
    if (!cache || !store) return DX_CACHE_EINVAL;
    if (cache->foreign_) error = dx_cache_p_forget_foreign(cache, store);
    dx_cache_p_lock(cache);
    for (i = 0; error == DX_CAS_OK && i < cache->slots_; i++) {
        error = dx_cache_p_save_slot(cache, store, i);
        if (i % DX_CACHE_P_BATCH) continue;
        dx_cache_p_unlock(cache);
        dx_cache_p_lock(cache);
    }
    if (error == DX_CAS_OK) error = dx_cache_p_save_epochs(cache, store);
    dx_cache_p_unlock(cache);
    if (error == DX_CAS_OK) error = dx_cas_commit(store);
    if (error == DX_CAS_OK) {
        cache->foreign_ = false;
        return DX_CAS_OK;
    }
    dx_cache_p_lock(cache); /* the store's state is unknown: write everything next time */
    for (i = 0; i < cache->slots_; i++) {
        cache->entries_[i].saved = cache->entries_[i].dirty = true;
        if (i % DX_CACHE_P_BATCH) continue;
        dx_cache_p_unlock(cache);
        dx_cache_p_lock(cache);
    }
    dx_cache_p_unlock(cache);
    return error;
}

/* Check that a block is a valid record, and copy its fields. */
static bool dx_cache_p_decode(const dx_cache *cache, dx_cache_entry_ *entry, uint64_t size)
{
    const uint8_t *p = entry->block, *tag, *end;
    uint8_t hash[32];
    uint32_t tags = 0;
    uint64_t at;
    DX_CACHE_ASSERT(p);
    if (size < DX_CACHE_P_HEAD || DX_CACHE_MEMCMP(p, "DXCE\1\0", 6) != 0 || p[7] != 0) return false;
    entry->key_size = dx_cache_p_load32(p + 8);
    entry->tags_size = dx_cache_p_load32(p + 12);
    entry->value_size = dx_cache_p_load64(p + 16);
    entry->time_ms = dx_cache_p_load64(p + 24);
    entry->expires_ms = dx_cache_p_load64(p + 32);
    entry->epoch = dx_cache_p_load64(p + 40);
    entry->sequence = dx_cache_p_load64(p + 48);
    entry->hits = dx_cache_p_load64(p + 56);
    if (entry->key_size == 0 || entry->key_size > DX_CACHE_P_KEY_MAX ||
        entry->tags_size > DX_CACHE_TAGS_MAX * (1 + DX_CACHE_TAG_MAX))
        return false;
    at = ((uint64_t)DX_CACHE_P_HEAD + entry->key_size + entry->tags_size + 15) / 16 * 16;
    entry->value_at = (uint32_t)at;
    if (at > size || entry->value_size != size - at) return false;
    tag = p + DX_CACHE_P_HEAD + entry->key_size;
    for (end = tag + entry->tags_size; tag < end; tag += 1 + *tag, tags++) {
        if (*tag == 0 || *tag > DX_CACHE_TAG_MAX || *tag >= end - tag) return false;
    }
    if (tags != p[6] || tags > cache->desc_.entry_tags_max) return false;
    for (; end < p + at; end++) {
        if (*end) return false;
    }
    cache->desc_.hash(cache->desc_.user, p + at, (size_t)entry->value_size, hash);
    return DX_CACHE_MEMCMP(hash, p + DX_CACHE_P_HASH_AT, 32) == 0 &&
           entry->epoch <= cache->epoch_ && entry->sequence <= cache->sequence_;
}

/* Read a whole object into a new block. OK with NULL: no room for it. */
static int dx_cache_p_read(dx_cache *cache, dx_cas_store *store, const dx_cas_id *root,
                           uint8_t **block, uint64_t *size)
{
    size_t got = 0;
    int error = dx_cas_object_size(store, root, size);
    *block = NULL;
    if (error != DX_CAS_OK || *size > (uint64_t)1 << 34) return error;
    *block = dx_cache_p_alloc(cache, *size);
    if (!*block) return DX_CAS_OK;
    error = dx_cas_get(store, root, *block, (size_t)*size, &got);
    if (error == DX_CAS_OK) return DX_CAS_OK;
    dx_cache_p_free(cache, *block);
    *block = NULL;
    return error;
}

/* Load the slot with this number as an entry, if there is room and its object is valid. */
static int dx_cache_p_load_slot(dx_cache *cache, dx_cas_store *store, const dx_cas_ref *ref,
                                uint32_t i)
{
    dx_cache_entry_ *entry = &cache->entries_[i];
    uint64_t size = 0;
    uint32_t same = DX_CACHE_P_NONE;
    int error = dx_cache_p_read(cache, store, &ref->root, &entry->block, &size);
    bool good = error == DX_CAS_OK && entry->block && dx_cache_p_decode(cache, entry, size);
    DX_CACHE_ASSERT(i < cache->slots_ && entry->pins == 0);
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT && error != DX_CAS_ENOTFOUND) return error;
    if (!good && (entry->block || error != DX_CAS_OK)) cache->stats_.damaged++;
    entry->saved = true;
    entry->dirty = !good;
    if (good) {
        const uint8_t *key = entry->block + DX_CACHE_P_HEAD;
        uint64_t floor = cache->floor_;
        entry->hash = dx_cache_p_hash(cache, key, entry->key_size);
        same = dx_cache_p_find(cache, entry->hash, key, entry->key_size);
        good = dx_cache_p_add_tags(cache, i) == DX_CACHE_OK;
        /* a forgotten tag: older entries may have had it */
        if (cache->floor_ > floor) cache->all_epoch_ = cache->floor_;
        good = good && dx_cache_p_valid(cache, i) &&
               cache->stats_.entries < cache->desc_.entries_max &&
               dx_cache_p_size(entry) <= cache->desc_.bytes_max - cache->stats_.bytes &&
               (same == DX_CACHE_P_NONE || cache->entries_[same].sequence < entry->sequence);
    }
    if (good) {
        if (same != DX_CACHE_P_NONE) dx_cache_p_remove(cache, same);
        dx_cache_p_enter(cache, i);
        return DX_CAS_OK;
    }
    dx_cache_p_untag(cache, i);
    dx_cache_p_free(cache, entry->block);
    entry->block = NULL;
    return DX_CAS_OK;
}

/* Load the object of the epochs, before any entry. */
static int dx_cache_p_load_epochs(dx_cache *cache, const uint8_t *p, uint64_t size)
{
    uint32_t count, i;
    uint64_t at = DX_CACHE_P_STATE_HEAD;
    if (size < DX_CACHE_P_STATE_HEAD || DX_CACHE_MEMCMP(p, "DXCS", 4) != 0)
        return DX_CACHE_ECORRUPT;
    if (DX_CACHE_MEMCMP(p + 4, "\1\0\0", 4) != 0) return DX_CACHE_EVERSION;
    count = dx_cache_p_load32(p + 8);
    cache->epoch_ = dx_cache_p_load64(p + 16);
    cache->floor_ = dx_cache_p_load64(p + 24);
    cache->all_epoch_ = dx_cache_p_load64(p + 32);
    cache->sequence_ = dx_cache_p_load64(p + 40);
    if (cache->floor_ > cache->epoch_ || cache->all_epoch_ > cache->floor_ ||
        cache->epoch_ >= UINT64_MAX / 2)
        return DX_CACHE_ECORRUPT;
    if (cache->sequence_ >= UINT64_MAX / 2 || dx_cache_p_load32(p + 12) != 0)
        return DX_CACHE_ECORRUPT;
    for (i = 0; i < count; i++) {
        uint64_t epoch;
        uint32_t tag;
        if (size - at < 10 || p[at + 8] == 0 || p[at + 8] > DX_CACHE_TAG_MAX)
            return DX_CACHE_ECORRUPT;
        if (size - at - 9 < p[at + 8]) return DX_CACHE_ECORRUPT;
        epoch = dx_cache_p_load64(p + at);
        if (epoch > cache->epoch_) return DX_CACHE_ECORRUPT;
        tag = dx_cache_p_tag(cache, p + at + 9, p[at + 8]);
        DX_CACHE_ASSERT(tag != DX_CACHE_P_NONE); /* there are no entries, so all tags are idle */
        if (cache->tags_[tag].epoch < epoch) cache->tags_[tag].epoch = epoch;
        at += 9u + p[at + 8];
    }
    if (count > cache->desc_.tags_max)
        cache->all_epoch_ = cache->floor_ = cache->epoch_ + 1; /* some tags are forgotten */
    if (cache->floor_ > cache->epoch_) cache->epoch_ = cache->floor_;
    return at == size ? DX_CACHE_OK : DX_CACHE_ECORRUPT;
}

/* Merge two lists, linked by `older`, the newest first. */
static uint32_t dx_cache_p_merge(dx_cache *cache, uint32_t a, uint32_t b)
{
    uint32_t first = DX_CACHE_P_NONE, *at = &first;
    while (a != DX_CACHE_P_NONE && b != DX_CACHE_P_NONE) {
        uint32_t *from = cache->entries_[a].sequence > cache->entries_[b].sequence ? &a : &b;
        *at = *from;
        at = &cache->entries_[*at].older;
        *from = *at;
    }
    *at = a != DX_CACHE_P_NONE ? a : b;
    return first;
}

/* Sort the list by use by the order in which entries were put: a merge sort from below, where
   lists[n] has 2^n entries or none, like the bits of a counter. */
static void dx_cache_p_sort(dx_cache *cache)
{
    uint32_t lists[32], i, n, all = DX_CACHE_P_NONE, head = cache->slots_;
    for (n = 0; n < 32; n++) lists[n] = DX_CACHE_P_NONE;
    while ((i = cache->entries_[head].older) != head) {
        cache->entries_[head].older = cache->entries_[i].older;
        cache->entries_[i].older = DX_CACHE_P_NONE;
        for (n = 0; lists[n] != DX_CACHE_P_NONE; n++) {
            i = dx_cache_p_merge(cache, lists[n], i);
            lists[n] = DX_CACHE_P_NONE;
        }
        DX_CACHE_ASSERT(n < 32);
        lists[n] = i;
    }
    for (n = 0; n < 32; n++) all = dx_cache_p_merge(cache, lists[n], all);
    for (n = head; all != DX_CACHE_P_NONE; n = all, all = i) {
        i = cache->entries_[all].older;
        cache->entries_[n].older = all;
        cache->entries_[all].newer = n;
    }
    cache->entries_[n].older = head;
    cache->entries_[head].newer = n;
}

/* Load everything. After an error it is incomplete, and the lists are unsorted. */
static int dx_cache_p_load(dx_cache *cache, dx_cas_store *store)
{
    char name[DX_CACHE_P_SLOT_NAME];
    dx_cas_ref ref;
    uint64_t cursor = 0, size = 0;
    uint8_t *block = NULL;
    uint32_t i;
    int error;
    DX_CACHE_ASSERT(cache->sequence_ == 0 && cache->epoch_ == 0 && cache->stats_.entries == 0);
    dx_cache_p_name(cache, DX_CACHE_P_NONE, name);
    error = dx_cas_ref_get(store, name, 0, &ref);
    if (error == DX_CAS_ENOTFOUND) return DX_CACHE_OK;
    if (error == DX_CAS_OK) error = dx_cache_p_read(cache, store, &ref.root, &block, &size);
    if (error != DX_CAS_OK) return error;
    if (!block) return DX_CACHE_ENOMEM;
    error = dx_cache_p_load_epochs(cache, block, size);
    dx_cache_p_free(cache, block);
    while (error == DX_CAS_OK && (error = dx_cas_ref_next(store, &cursor, &ref)) == DX_CAS_OK) {
        i = dx_cache_p_number(cache, ref.name);
        if (i < cache->slots_) error = dx_cache_p_load_slot(cache, store, &ref, i);
        else if (i != DX_CACHE_P_NONE) cache->foreign_ = true;
    }
    if (error != DX_CAS_ENOTFOUND) return error;
    dx_cache_p_sort(cache);
    cache->free_slot_ = DX_CACHE_P_NONE;
    for (i = cache->slots_; i-- > 0;) {
        if (cache->entries_[i].state != DX_CACHE_P_LIVE) dx_cache_p_free_slot(cache, i);
    }
    /* never reuse a number: those after the last save are unknown */
    cache->epoch_ += (uint64_t)1 << 32;
    cache->sequence_ += (uint64_t)1 << 32;
    cache->stats_.removed = 0;
    return DX_CACHE_OK;
}

/* Reset after a failed load, whose entries can be neither freed nor trusted. The store may have an
   object under each name, and its epochs are unknown here, so an entry that stayed there could
   outlive an invalidation: the next save deletes them. */
static void dx_cache_p_abandon(dx_cache *cache)
{
    const dx_cache_desc desc = cache->desc_;
    const int error = dx_cache_init(cache, &desc);
    uint32_t i;
    DX_CACHE_ASSERT(error == DX_CACHE_OK); /* it succeeded before, with the same memory */
    (void)error;
    for (i = 0; i < cache->slots_; i++) cache->entries_[i].saved = cache->entries_[i].dirty = true;
    cache->foreign_ = true;
}

DX_CACHE_API int dx_cache_load(dx_cache *cache, dx_cas_store *store)
{
    int error;
    if (!cache || !store || cache->sequence_ || cache->epoch_) return DX_CACHE_EINVAL;
    error = dx_cache_p_load(cache, store);
    if (error != DX_CACHE_OK) dx_cache_p_abandon(cache);
    return error;
}

/* >>layers --------------------------------------------------------------
   The extension interface: the arena, the lock and the hash as they are used above.

       dx_queries.h   dx_edge.h        dependencies, headers, edge side includes
             \\         /
          dx_cache_ext_*               memory, one lock, one hash
                |
            dx_cache.h                                                                       */
DX_CACHE_API void dx_cache_ext_lock(dx_cache *cache)
{
    dx_cache_p_lock(cache);
}

DX_CACHE_API void dx_cache_ext_unlock(dx_cache *cache)
{
    dx_cache_p_unlock(cache);
}

DX_CACHE_API void *dx_cache_ext_alloc(dx_cache *cache, size_t size)
{
    uint8_t *block = dx_cache_p_alloc(cache, size);
    while (!block && (dx_cache_p_bury(cache) || dx_cache_p_evict(cache))) {
        block = dx_cache_p_alloc(cache, size);
    }
    return block;
}

DX_CACHE_API void dx_cache_ext_free(dx_cache *cache, void *block)
{
    dx_cache_p_free(cache, (uint8_t *)block);
}

DX_CACHE_API uint64_t dx_cache_ext_hash(const dx_cache *cache, const void *data, size_t size)
{
    return dx_cache_p_hash(cache, data, size);
}

DX_CACHE_API void dx_cache_ext_value_hash(const dx_cache *cache, const void *data, size_t size,
                                          uint8_t out[32])
{
    DX_CACHE_ASSERT(data || size == 0);
    cache->desc_.hash(cache->desc_.user, data, size, out);
}

DX_CACHE_API uint32_t dx_cache_ext_tags_max(const dx_cache *cache)
{
    return cache->desc_.entry_tags_max;
}

DX_CACHE_API int dx_cache_ext_outdate(dx_cache *cache, const dx_cache_ticket *ticket)
{
    dx_cache_p_lock(cache);
    return dx_cache_p_end(cache, ticket, DX_CACHE_EOUTDATED, DX_CACHE_OK);
}

DX_CACHE_API bool dx_cache_ext_holds(const dx_cache_view *view)
{
    return view->entry_ != 0;
}

#endif /* DX_CACHE_IMPLEMENTATION */

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
