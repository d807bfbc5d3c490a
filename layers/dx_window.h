/*  dx_window.h - v0.3.0 - receive windows that grow with the bytes read in a round trip
                - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_WINDOW_IMPLEMENTATION      (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_window.h"

    and include it elsewhere without the define. C99; also builds as C++11. No other
    header is needed.

    QUICK EXAMPLE

        dx_window w;
        if (dx_window_init(&w, 4096, 1 << 20)) return 1;  // the peer may send 4096 bytes
        // bytes have come, and a while later they were read:
        if (dx_window_arrived(&w, 4096, 1000000)) return 1; // more than was promised
        uint32_t bytes = dx_window_consumed(&w, 4096, 1000000);
        printf("the peer may send %u bytes more\n", (unsigned)bytes);

    CONTENTS (search >>)  config  errors  window  platform  names  rounds  license

    HOW IT WORKS
        A sender with a window of w bytes and a round trip of t seconds sends at most w / t bytes a
        second, however fast the path is. So the window grows to twice what the reader consumed
        within a round trip plus the largest piece, but never shrinks. The round trip is measured on
        the stream itself: the first byte beyond the earlier promises can only be sent once the next
        promise has arrived, so it comes one round trip after it, or later. The shortest measurement
        counts.

    GUARANTEES  Never allocates; no globals; no recursion; every call is O(1). Bytes promised and
                not consumed never exceed the limit, and a promise is never withdrawn.
    LIMITS      Windows below 2^31. The shortest round trip ever seen counts: if the path's round
                trip later more than doubles, call dx_window_set_round_trip().
    SIZE        code: x86-64 706, Cortex-M0 662; objects: dx_window 64
    THREADS     One at a time for each object.
    CONFIG      DX_WINDOW_STATIC, DX_WINDOW_API, DX_WINDOW_ASSERT(c), DX_WINDOW_MEMSET
    ERRORS      dx_window_error: 0 = ok, negative = reason.
    OWNERSHIP   The caller owns the object. It holds no pointer.
*/
#ifndef DX_WINDOW_H
#define DX_WINDOW_H

#define DX_WINDOW_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_WINDOW_API
  #ifdef DX_WINDOW_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_WINDOW_API static __attribute__((unused))
    #else
      #define DX_WINDOW_API static
    #endif
  #else
    #define DX_WINDOW_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_WINDOW_ERRORS(X) \
    X(0, OK)                                                        \
    X(-1, EINVAL)  /* an argument breaks its documented contract */ \
    X(-4, ETOOBIG) /* more bytes than were promised */

typedef enum dx_window_error {
#define DX_WINDOW_P_ERROR_IS(value, constant) DX_WINDOW_##constant = value,
    DX_WINDOW_ERRORS(DX_WINDOW_P_ERROR_IS)
#undef DX_WINDOW_P_ERROR_IS
} dx_window_error;

/* "DX_WINDOW_EINVAL" and so on; "unknown error" for anything else. */
DX_WINDOW_API const char *dx_window_error_name(int error);

/* >>window ------------------------------------------------------------- */
typedef struct dx_window { /* caller-allocated; the first fields may be read */
    uint32_t size;          /* max bytes that the peer may have sent and the reader not consumed */
    uint32_t limit;         /* the max of size */
    uint32_t promised;      /* bytes that the peer may still send */
    uint32_t unread;        /* arrived, not consumed */
    uint64_t round_trip_ns; /* the shortest; 0: unknown */

    uint64_t began_ns_;     /* when counting began, */
    uint64_t consumed_;     /* and bytes consumed since then */
    uint64_t marked_ns_;    /* when the timed promise was made */
    uint32_t mark_;         /* arriving bytes before the first one that it allowed */
    uint32_t piece_;        /* the largest arrival since then */
    bool     is_timing_;
} dx_window;

/* promised: how many bytes the peer was told it may send. If 0, dx_window_consumed() with 0 bytes
   returns the first promise: 4096, or the limit if it is less. The window then grows up to `limit`;
   a larger promise stays valid. EINVAL: limit is 0, or either is 2^31 or more. */
DX_WINDOW_API int dx_window_init(dx_window *w, uint32_t promised, uint32_t limit);
/* Bytes have arrived from the peer. ETOOBIG: more than promised; nothing has changed. */
DX_WINDOW_API int dx_window_arrived(dx_window *w, uint32_t bytes, uint64_t now_ns);
/* The reader has freed that many bytes, at most w->unread of which count. Returns how many more the
   peer may send: promise them to it. 0: not worth a frame yet. */
DX_WINDOW_API uint32_t dx_window_consumed(dx_window *w, uint32_t bytes, uint64_t now_ns);
/* Change the limit. Earlier promises stay valid; later ones stay below it. EINVAL. */
DX_WINDOW_API int dx_window_set_limit(dx_window *w, uint32_t limit);
/* Set the round trip that the caller measured; replaces the shortest one seen. */
DX_WINDOW_API void dx_window_set_round_trip(dx_window *w, uint64_t round_trip_ns);

#ifdef __cplusplus
}
#endif
#endif /* DX_WINDOW_H */

#if (defined(DX_WINDOW_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_WINDOW_IMPLEMENTED)
#define DX_WINDOW_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_WINDOW_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_WINDOW_ASSERT(c) assert(c)
  #else
    #define DX_WINDOW_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_WINDOW_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_WINDOW_P_MEM(name) name
#endif
#ifndef DX_WINDOW_MEMSET
  #define DX_WINDOW_MEMSET DX_WINDOW_P_MEM(memset)
#endif

enum {
    DX_WINDOW_P_FIRST      = 4096, /* bytes, if the peer was promised less */
    DX_WINDOW_P_STEPS      = 16,   /* a window is promised in that many steps ... */
    DX_WINDOW_P_STEP_LEAST = 1024 /* ... of at least 1 KiB, or half of the window */
};

/* >>names -------------------------------------------------------------- */
DX_WINDOW_API const char *dx_window_error_name(int error)
{
    switch (error) {
#define DX_WINDOW_P_CASE(value, name)                                                              \
    case value: return "DX_WINDOW_" #name;
    DX_WINDOW_ERRORS(DX_WINDOW_P_CASE)
#undef DX_WINDOW_P_CASE
    default: return "unknown error";
    }
}

/* >>rounds --------------------------------------------------------------
   Where the bytes of a stream are:

       consumed | unread |          promised          | what the next promise allows
                         ^ arrived up to here          ^ mark_ bytes from there: its first byte
                |<------------- size, at most -------->| */
static bool dx_window_p_is_size(uint32_t bytes) { return bytes <= INT32_MAX; }

/* How many more bytes may be promised. */
static uint32_t dx_window_p_room(const dx_window *w)
{
    const uint64_t held = (uint64_t)w->promised + w->unread;
    DX_WINDOW_ASSERT(w->size <= w->limit);
    return held < w->size ? (uint32_t)(w->size - held) : 0;
}

/* The first byte of the timed promise arrived. A clock that went back yields no measurement. */
static void dx_window_p_time(dx_window *w, uint64_t now_ns)
{
    uint64_t took;
    w->is_timing_ = false;
    if (now_ns < w->marked_ns_) return;
    took = now_ns - w->marked_ns_;
    if (!took) took = 1; /* the clock is too coarse */
    if (!w->round_trip_ns || took < w->round_trip_ns) w->round_trip_ns = took;
}

/* After each round trip: grow the window to twice the bytes consumed in it, plus twice the largest
   piece. Pieces arrive and are read as a whole: if one takes longer than a round trip, twice the
   bytes consumed in that time would be too small. */
static void dx_window_p_grow(dx_window *w, uint64_t now_ns)
{
    uint64_t size;
    if (!w->round_trip_ns) return;
    if (now_ns < w->began_ns_) w->began_ns_ = now_ns; /* a clock that went back */
    if (now_ns - w->began_ns_ < w->round_trip_ns) return;
    size = w->consumed_ < w->limit ? 2 * (w->consumed_ + w->piece_) : w->limit;
    if (size > w->limit) size = w->limit;
    if (size > w->size) w->size = (uint32_t)size;
    w->began_ns_ = now_ns;
    w->consumed_ = 0;
    w->piece_ = 0;
}

DX_WINDOW_API int dx_window_init(dx_window *w, uint32_t promised, uint32_t limit)
{
    if (!w || !limit || !dx_window_p_is_size(promised) || !dx_window_p_is_size(limit))
        return DX_WINDOW_EINVAL;
    DX_WINDOW_MEMSET(w, 0, sizeof *w);
    w->size = promised < DX_WINDOW_P_FIRST ? (uint32_t)DX_WINDOW_P_FIRST : promised;
    if (w->size > limit) w->size = limit;
    w->promised = promised;
    w->limit = limit;
    return DX_WINDOW_OK;
}

DX_WINDOW_API int dx_window_arrived(dx_window *w, uint32_t bytes, uint64_t now_ns)
{
    if (bytes > w->promised) return DX_WINDOW_ETOOBIG;
    w->promised -= bytes;
    w->unread += bytes;
    if (bytes > w->piece_) w->piece_ = bytes;
    DX_WINDOW_ASSERT(dx_window_p_is_size(w->unread));
    if (w->is_timing_ && bytes > w->mark_) {
        dx_window_p_time(w, now_ns);
    } else if (w->is_timing_) {
        w->mark_ -= bytes;
    }
    return DX_WINDOW_OK;
}

DX_WINDOW_API uint32_t dx_window_consumed(dx_window *w, uint32_t bytes, uint64_t now_ns)
{
    uint32_t step;
    uint32_t room;
    if (bytes > w->unread) bytes = w->unread;
    w->unread -= bytes;
    if (!w->consumed_ && !w->round_trip_ns) w->began_ns_ = now_ns;
    w->consumed_ += bytes;
    dx_window_p_grow(w, now_ns);
    room = dx_window_p_room(w);
    step = w->size / DX_WINDOW_P_STEPS;
    if (step < DX_WINDOW_P_STEP_LEAST) step = DX_WINDOW_P_STEP_LEAST;
    if (step > w->size / 2) step = w->size / 2;
    if (!room || (room < step && room < w->promised)) return 0;
    if (!w->is_timing_) {
        w->is_timing_ = true;
        w->mark_ = w->promised;
        w->marked_ns_ = now_ns;
    }
    w->promised += room;
    DX_WINDOW_ASSERT((uint64_t)w->promised + w->unread <= w->limit);
    return room;
}

DX_WINDOW_API int dx_window_set_limit(dx_window *w, uint32_t limit)
{
    if (!w || !limit || !dx_window_p_is_size(limit)) return DX_WINDOW_EINVAL;
    w->limit = limit;
    if (w->size > limit) w->size = limit;
    return DX_WINDOW_OK;
}

DX_WINDOW_API void dx_window_set_round_trip(dx_window *w, uint64_t round_trip_ns)
{
    w->round_trip_ns = round_trip_ns;
}

#endif /* DX_WINDOW_IMPLEMENTATION */

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
