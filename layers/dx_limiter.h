/*  dx_limiter.h - v0.3.0 - rate limits for any number of keys in fixed memory
                 - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_LIMITER_IMPLEMENTATION     (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_limiter.h"

    and include it elsewhere without the define. C99; also builds as C++11. No other
    header is needed.

    QUICK EXAMPLE

        static uint64_t memory[24 * 1024];                // 8,192 keys at a time
        dx_limiter limiter;
        dx_limiter_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.seed = 0x9e3779b97f4a7c15u;                  // in a program: random and secret
        desc.limit = 100;                                 // requests a second for each key
        if (dx_limiter_init(&limiter, &desc)) return 1;

        dx_limiter_quota quota;
        uint64_t client = 0x0a000001u;                    // a hash of who asks
        if (dx_limiter_take(&limiter, client, 0, &quota) == DX_LIMITER_TOO_MANY) return 1;
        printf("%u of %u left\n", (unsigned)quota.remaining, (unsigned)quota.limit);

    CONTENTS (search >>)  config  errors  limiter  platform  shared  names  meters  license

    GUARANTEES  Never allocates; no globals; no recursion. One request costs the same however many
                keys there are: one hash and at most eight meters. Nobody gets more than the limit
                by appearing under many keys. A clock that goes back gives nobody more.
    LIMITS      At most 2^27 keys at a time. One thread per object: give each worker its own.
    CONFIG      DX_LIMITER_STATIC, DX_LIMITER_API, DX_LIMITER_ASSERT(c), DX_LIMITER_MEMSET
    ERRORS      dx_limiter_error: 0 = ok, negative = reason. dx_limiter_take() returns a status.
    OWNERSHIP   The caller owns the object and the memory, which is borrowed until neither is used.
*/
#ifndef DX_LIMITER_H
#define DX_LIMITER_H

#define DX_LIMITER_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_LIMITER_API
  #ifdef DX_LIMITER_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_LIMITER_API static __attribute__((unused))
    #else
      #define DX_LIMITER_API static
    #endif
  #else
    #define DX_LIMITER_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_LIMITER_ERRORS(X) \
    X(0, OK)                 \
    X(-1, EINVAL) /* an argument breaks its documented contract */

typedef enum dx_limiter_error {
#define DX_LIMITER_P_ERROR_IS(value, constant) DX_LIMITER_##constant = value,
    DX_LIMITER_ERRORS(DX_LIMITER_P_ERROR_IS)
    DX_LIMITER_TOO_MANY = 429 /* the status that HTTP and HBTP give to a refused request */
} dx_limiter_error;

/* "DX_LIMITER_EINVAL" and so on; "unknown error" for anything else. */
DX_LIMITER_API const char *dx_limiter_error_name(int error);

/* >>limiter ------------------------------------------------------------ */
/* Two policies. Token bucket: in any time t at most burst + t / period * limit requests. Window:
   `limit` requests in each period that begins with a first request, so up to twice as many around
   the end of a period. */
typedef struct dx_limiter_desc { /* zero = the default written behind each field */
    void    *memory;      /* aligned to 8; 192 bytes for every 8 keys that are limited at a time;
                             borrowed. NULL: one count for all keys */
    size_t   memory_size;
    uint64_t seed;        /* a secret random number where others can choose keys: without it they
                             find keys that share one set and push a ninth key out of it */
    uint64_t period_ns;   /* one second */
    uint32_t limit;       /* requests a period; 1000 */
    uint32_t burst;       /* token bucket: requests at once; limit */
    bool     window;      /* false: token bucket */
} dx_limiter_desc;

typedef struct dx_limiter_meter { /* what one key has used; 24 bytes everywhere; private */
    uint64_t key_;
    uint64_t time_ns_; /* bucket: when all that was taken is paid back; window: when it began */
    uint32_t used_;    /* window: requests since then */
    uint32_t reserved_;
} dx_limiter_meter;

typedef struct dx_limiter { /* caller-allocated; fields are private */
    dx_limiter_meter  one_;    /* without memory: the only meter */
    dx_limiter_meter *meters_; /* sets_ * 8 of them */
    uint64_t          seed_;
    uint64_t          period_ns_;
    uint64_t          interval_ns_; /* bucket: what one request costs, period / limit rounded up */
    uint64_t          slack_ns_;    /* bucket: the debt up to which a request fits */
    uint32_t          limit_;
    uint32_t          sets_;        /* a power of two; 0: without memory */
    bool              window_;
} dx_limiter;

typedef struct dx_limiter_quota {
    uint32_t limit;
    uint32_t remaining; /* requests that would be admitted now, after this one */
    uint64_t retry_delay_ns;  /* refused: after this time there may be room; else 0 */
} dx_limiter_quota;

/* EINVAL: under 192 bytes or not aligned; period, or period / limit * burst, above 2^62 ns. */
DX_LIMITER_API int dx_limiter_init(dx_limiter *l, const dx_limiter_desc *desc);
/* Count one request of `key` (a hash of who asks; 0 for all). Returns 0, or DX_LIMITER_TOO_MANY for
   a request that is over the limit, which then is not counted. A key that finds no free meter takes
   over the least busy one of its set together with what that has used. A clock above 2^63 stands
   still there. *quota may be NULL. O(8). */
DX_LIMITER_API int dx_limiter_take(dx_limiter *l, uint64_t key, uint64_t now_ns,
                                   dx_limiter_quota *quota);

#ifdef __cplusplus
}
#endif
#endif /* DX_LIMITER_H */

#if (defined(DX_LIMITER_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_LIMITER_IMPLEMENTED)
#define DX_LIMITER_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_LIMITER_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_LIMITER_ASSERT(c) assert(c)
  #else
    #define DX_LIMITER_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_LIMITER_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_LIMITER_P_MEM(name) name
#endif
#ifndef DX_LIMITER_MEMSET
  #define DX_LIMITER_MEMSET DX_LIMITER_P_MEM(memset)
#endif

enum { DX_LIMITER_P_WAYS = 8 }; /* meters of a set */

/* Times are added up to 2^62, and clocks count to 2^63, so that no sum of a clock and two times
   overflows: with one that did, what was taken would be forgotten. */
#define DX_LIMITER_P_NS_MAX (UINT64_MAX / 4)
#define DX_LIMITER_P_CLOCK_MAX ((uint64_t)1 << 63)

typedef char dx_limiter_p_meter_is_24[sizeof(dx_limiter_meter) == 24 ? 1 : -1];

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_limiter_p_rotate(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }

/* HalfSipHash-1-3 of eight bytes, for tables whose keys others choose: without the seed nobody can
   tell which keys meet. */
static uint32_t dx_limiter_p_keyed_hash(uint64_t seed, uint64_t key)
{
    const uint32_t k0 = (uint32_t)(seed & UINT32_MAX), k1 = (uint32_t)(seed >> 32);
    const uint32_t words[6] = {(uint32_t)(key & UINT32_MAX), (uint32_t)(key >> 32),
                               (uint32_t)8 << 24, 0, 0, 0};
    uint32_t a = k0, b = k1, c = k0 ^ 0x6c796765u, d = k1 ^ 0x74656462u;
    unsigned i;
    for (i = 0; i < 6; i++) {
        if (i == 3) c ^= 0xff;
        d ^= words[i];
        a += b;
        b = dx_limiter_p_rotate(b, 27) ^ a;
        a = dx_limiter_p_rotate(a, 16);
        c += d;
        d = dx_limiter_p_rotate(d, 24) ^ c;
        a += d;
        d = dx_limiter_p_rotate(d, 25) ^ a;
        c += b;
        b = dx_limiter_p_rotate(b, 19) ^ c;
        c = dx_limiter_p_rotate(c, 16);
        a ^= words[i];
    }
    return b ^ d;
}

/* >>names -------------------------------------------------------------- */
#define DX_LIMITER_P_ERROR_NAME(value, constant) \
    case value: return "DX_LIMITER_" #constant;

DX_LIMITER_API const char *dx_limiter_error_name(int error)
{
    switch (error) {
        DX_LIMITER_ERRORS(DX_LIMITER_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>meters --------------------------------------------------------------
   A key hashes to one set and may use any of its eight meters, so eight busy keys can meet in a set
   before one of them is pushed out:

       set 0   | meter | meter | meter | meter | meter | meter | meter | meter |   192 bytes
       set 1   | meter | ...

   The token bucket is kept as one time (the "generic cell rate algorithm"): each request that is
   admitted costs one interval, and time pays the debt back at its own pace.

       now            time_ns_        now + slack
        |----- debt ----->|                |
        |<- a request fits while the debt ends here ->|, and moves time_ns_ on by one interval

   The window counts instead: time_ns_ is when it began, used_ how many came since. In both, a meter
   without debt is the same as an unused one, which is why meters need no flag and no clearing. */

/* What a key owes at this time: nanoseconds of the bucket, or requests of the window. */
static uint64_t dx_limiter_p_debt(const dx_limiter *l, const dx_limiter_meter *m, uint64_t now_ns)
{
    if (!l->window_) return m->time_ns_ > now_ns ? m->time_ns_ - now_ns : 0;
    return now_ns >= m->time_ns_ && now_ns - m->time_ns_ >= l->period_ns_ ? 0 : m->used_;
}

/* The meter of this key; a new key takes over the one of its set that owes least, and its debt. */
static dx_limiter_meter *dx_limiter_p_meter_of(dx_limiter *l, uint64_t key, uint64_t now_ns)
{
    dx_limiter_meter *set;
    dx_limiter_meter *idlest;
    uint32_t hash;
    unsigned i;
    if (!l->sets_) return &l->one_;
    DX_LIMITER_ASSERT(l->meters_ && (l->sets_ & (l->sets_ - 1)) == 0);
    hash = dx_limiter_p_keyed_hash(l->seed_, key);
    set = l->meters_ + (size_t)(hash & (l->sets_ - 1)) * DX_LIMITER_P_WAYS;
    idlest = set;
    for (i = 0; i < DX_LIMITER_P_WAYS; i++) {
        if (set[i].key_ == key) return &set[i];
        if (dx_limiter_p_debt(l, &set[i], now_ns) < dx_limiter_p_debt(l, idlest, now_ns))
            idlest = &set[i];
    }
    idlest->key_ = key;
    return idlest;
}

static int dx_limiter_p_take_from_bucket(const dx_limiter *l, dx_limiter_meter *m, uint64_t now_ns,
                                         dx_limiter_quota *quota)
{
    const uint64_t debt = dx_limiter_p_debt(l, m, now_ns);
    DX_LIMITER_ASSERT(l->interval_ns_ > 0);
    if (debt > l->slack_ns_) {
        if (quota) quota->retry_delay_ns = debt - l->slack_ns_;
        return DX_LIMITER_TOO_MANY;
    }
    m->time_ns_ = now_ns + debt + l->interval_ns_;
    if (quota) quota->remaining = (uint32_t)((l->slack_ns_ - debt) / l->interval_ns_);
    return DX_LIMITER_OK;
}

static int dx_limiter_p_take_from_window(const dx_limiter *l, dx_limiter_meter *m, uint64_t now_ns,
                                         dx_limiter_quota *quota)
{
    const uint64_t used = dx_limiter_p_debt(l, m, now_ns);
    DX_LIMITER_ASSERT(used <= l->limit_);
    if (used >= l->limit_) {
        if (quota) quota->retry_delay_ns = m->time_ns_ + l->period_ns_ - now_ns;
        return DX_LIMITER_TOO_MANY;
    }
    if (!used) m->time_ns_ = now_ns;
    m->used_ = (uint32_t)used + 1;
    if (quota) quota->remaining = l->limit_ - m->used_;
    return DX_LIMITER_OK;
}

DX_LIMITER_API int dx_limiter_init(dx_limiter *l, const dx_limiter_desc *desc)
{
    const size_t set_size = DX_LIMITER_P_WAYS * sizeof(dx_limiter_meter);
    const uint32_t sets_max = (uint32_t)1 << 24;
    uint64_t burst;
    if (!l || !desc || ((uintptr_t)desc->memory & 7)) return DX_LIMITER_EINVAL;
    if (desc->memory && desc->memory_size < set_size) return DX_LIMITER_EINVAL;
    DX_LIMITER_MEMSET(l, 0, sizeof *l);
    l->limit_ = desc->limit ? desc->limit : 1000;
    l->period_ns_ = desc->period_ns ? desc->period_ns : 1000000000u;
    burst = desc->burst ? desc->burst : l->limit_;
    if (l->period_ns_ > DX_LIMITER_P_NS_MAX) return DX_LIMITER_EINVAL;
    l->interval_ns_ = (l->period_ns_ + l->limit_ - 1) / l->limit_; /* up: never above the limit */
    if (l->interval_ns_ > DX_LIMITER_P_NS_MAX / burst) return DX_LIMITER_EINVAL;
    l->slack_ns_ = l->interval_ns_ * (burst - 1);
    l->window_ = desc->window;
    l->seed_ = desc->seed;
    if (!desc->memory) return DX_LIMITER_OK;
    l->sets_ = 1;
    while (l->sets_ < sets_max && desc->memory_size / set_size / 2 >= l->sets_) l->sets_ *= 2;
    l->meters_ = (dx_limiter_meter *)desc->memory;
    DX_LIMITER_ASSERT(l->sets_ * set_size <= desc->memory_size);
    DX_LIMITER_MEMSET(l->meters_, 0, l->sets_ * set_size);
    return DX_LIMITER_OK;
}

DX_LIMITER_API int dx_limiter_take(dx_limiter *l, uint64_t key, uint64_t now_ns,
                                   dx_limiter_quota *quota)
{
    dx_limiter_meter *m;
    if (now_ns > DX_LIMITER_P_CLOCK_MAX) now_ns = DX_LIMITER_P_CLOCK_MAX;
    m = dx_limiter_p_meter_of(l, key, now_ns);
    if (quota) {
        quota->limit = l->limit_;
        quota->remaining = 0;
        quota->retry_delay_ns = 0;
    }
    if (l->window_) return dx_limiter_p_take_from_window(l, m, now_ns, quota);
    return dx_limiter_p_take_from_bucket(l, m, now_ns, quota);
}

#endif /* DX_LIMITER_IMPLEMENTATION */

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
