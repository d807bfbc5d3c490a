/*  dx_frames.h - v0.3.0 - tasks of three priorities in frames that keep to a time budget
                - MIT-0 or public domain, see end of file

    A layer on dx_reactor.h, for programs with a fixed rate: 60 frames a second, each with a budget
    of milliseconds for work that can wait. Tasks beyond the budget run in the next frame, and no
    level starves.

    Do this in ONE C or C++ file:

        #define DX_FRAMES_IMPLEMENTATION      (or DX_IMPLEMENTATION, for the reactor too)
        #include "layers/dx_frames.h"

    and include it elsewhere without the define. Where dx_reactor.h is not one folder up, include it
    first.

    QUICK EXAMPLE

        static void draw(dx_reactor_task *task, dx_reactor_worker *worker)
        {
            (void)worker;
            ++*(int *)task->user;
        }

        int main(void)
        {
            int drawn = 0;
            dx_frames frames;
            dx_reactor_task task;
            memset(&task, 0, sizeof task);
            task.fn = draw;
            task.user = &drawn;
            if (dx_frames_init(&frames, NULL) != DX_FRAMES_OK) return 1;
            dx_frames_push(&frames, DX_FRAMES_NORMAL, &task);
            dx_frames_run(&frames);             // or dx_frames_start(&frames, &r): a timer does
            return drawn != 1;
        }

    CONTENTS (search >>)  config  errors  types  api  platform  queues  frame  timer  license

    GUARANTEES  No allocation, no global, no recursion; push is O(1). A level without a task for
                desc.patience frames gets one task. First in, first out within a level.
    LIMITS      A task is not interrupted: one that takes longer than the budget delays the frame.
    SIZE        code: x86-64 1,228; objects: dx_frames 272
    THREADS     One: that of the reactor, if it is started.
    CONFIG      DX_FRAMES_STATIC, DX_FRAMES_API, DX_FRAMES_ASSERT(c), DX_FRAMES_MEMSET
    ERRORS      dx_frames_error: 0 = ok, negative = reason, with the values of dx_reactor_error
    OWNERSHIP   The caller owns every object; a task is lent from the push to the call of its fn,
                which may push it again.
    EXAMPLE     docs/reactor.md, "Frames"
*/
#ifndef DX_FRAMES_H
#define DX_FRAMES_H

#define DX_FRAMES_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_REACTOR_H
  #include "../dx_reactor.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_FRAMES_API
  #ifdef DX_FRAMES_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_FRAMES_API static __attribute__((unused))
    #else
      #define DX_FRAMES_API static
    #endif
  #else
    #define DX_FRAMES_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_FRAMES_ERRORS(X)                                                                        \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its documented contract */                             \
    X(-6, EAGAIN)     /* the reactor has desc.pending_max operations: as dx_reactor_timer() */     \
    X(-10, ECANCELED) /* the reactor is being closed */

typedef enum dx_frames_error {
#define DX_FRAMES_P_ENUM(value, name) DX_FRAMES_##name = (value),
    DX_FRAMES_ERRORS(DX_FRAMES_P_ENUM)
#undef DX_FRAMES_P_ENUM
} dx_frames_error;

/* "DX_FRAMES_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_FRAMES_API const char *dx_frames_error_name(int error);

/* >>types -------------------------------------------------------------- */
typedef enum dx_frames_priority {
    DX_FRAMES_IMMEDIATE = 0, /* tasks start until budget_ns of a frame are used */
    DX_FRAMES_NORMAL    = 1, /* until yield_ns */
    DX_FRAMES_IDLE      = 2  /* until idle_ns */
} dx_frames_priority;

enum { DX_FRAMES_LEVELS = 3, DX_FRAMES_WINDOW = 60 }; /* frames covered by statistics */

typedef struct dx_frames_desc {
    uint64_t budget_ns; /* 0 = 4 ms */
    uint64_t yield_ns;  /* at most budget_ns; 0 = 7/8 of it: 3.5 ms */
    uint64_t idle_ns;   /* at most yield_ns; 0 = half of budget_ns: 2 ms */
    uint64_t period_ns; /* from one frame to the next; 0 = 16,666,667 (60 a second) */
    uint32_t patience;  /* frames without a task of a level before one runs; 0 = 60 */
    uint64_t (*clock)(void *user); /* ns; NULL: the monotonic clock */
    void    *user;      /* the caller's, for clock */
} dx_frames_desc;

typedef struct dx_frames_stats {
    uint64_t frames;
    uint64_t executed;     /* tasks */
    uint64_t used_ns;
    uint64_t remaining_ns; /* unused part of the budgets */
} dx_frames_stats;

typedef struct dx_frames {  /* caller-allocated; one thread; all but stats is private */
    dx_frames_stats  stats; /* of the last 60 complete frames; zero before that */
    dx_frames_stats  now_;  /* of the frames since then */
    dx_frames_desc   desc_; /* with its defaults filled in */
    dx_reactor_task *first_[DX_FRAMES_LEVELS];  /* queues, linked by dx_reactor_task.next */
    dx_reactor_task *last_[DX_FRAMES_LEVELS];   /* of a nonempty queue */
    uint32_t         hungry_[DX_FRAMES_LEVELS]; /* consecutive frames without a task of the level */
    uint64_t         due_;      /* when the next frame should begin */
    dx_reactor      *reactor_;  /* its timer runs the frames */
    dx_op            timer_;
    bool             running_;  /* started, and not stopped since */
} dx_frames;

/* >>api ---------------------------------------------------------------- */
/* desc NULL: all defaults. EINVAL: limits out of order. */
DX_FRAMES_API int dx_frames_init(dx_frames *f, const dx_frames_desc *desc);
/* Queue a task; `worker` is NULL in its function. O(1), any number of tasks. EINVAL. */
DX_FRAMES_API int dx_frames_push(dx_frames *f, int priority, dx_reactor_task *task);
/* Run one frame: tasks left from the last one first, until the limits. Returns how many ran. Call
   it at your own rate, or use dx_frames_start(): then a timer of *r calls it. */
DX_FRAMES_API uint32_t dx_frames_run(dx_frames *f);
/* OK also if it is started already; EINVAL, EAGAIN, ECANCELED as dx_reactor_timer(). */
DX_FRAMES_API int dx_frames_start(dx_frames *f, dx_reactor *r);
/* May be called again; tasks stay queued. *f may be freed after one more wait of its reactor. */
DX_FRAMES_API void dx_frames_stop(dx_frames *f);

#ifdef __cplusplus
}
#endif
#endif /* DX_FRAMES_H */

#if (defined(DX_FRAMES_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_FRAMES_IMPLEMENTED)
#define DX_FRAMES_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_FRAMES_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_FRAMES_ASSERT(c) assert(c)
  #else
    #define DX_FRAMES_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#ifndef DX_FRAMES_MEMSET
  #define DX_FRAMES_MEMSET __builtin_memset
#endif

DX_FRAMES_API const char *dx_frames_error_name(int error)
{
    switch (error) {
#define DX_FRAMES_P_CASE(value, name)                                                              \
    case value: return "DX_FRAMES_" #name;
    DX_FRAMES_ERRORS(DX_FRAMES_P_CASE)
#undef DX_FRAMES_P_CASE
    default: return "unknown error";
    }
}

/* >>queues -------------------------------------------------------------
   One queue for each level, linked through the tasks:

       first_[level] -> task -> task -> ... -> last_[level] -> NULL          */
DX_FRAMES_API int dx_frames_init(dx_frames *f, const dx_frames_desc *desc)
{
    dx_frames_desc *d = &f->desc_;
    DX_FRAMES_MEMSET(f, 0, sizeof *f);
    if (desc) *d = *desc;
    if (!d->budget_ns) d->budget_ns = 4000000;
    if (!d->yield_ns) d->yield_ns = d->budget_ns - d->budget_ns / 8;
    if (!d->idle_ns) d->idle_ns = d->budget_ns / 2;
    if (!d->period_ns) d->period_ns = 16666667;
    if (!d->patience) d->patience = 60;
    if (d->idle_ns > d->yield_ns || d->yield_ns > d->budget_ns) return DX_FRAMES_EINVAL;
    return DX_FRAMES_OK;
}

DX_FRAMES_API int dx_frames_push(dx_frames *f, int priority, dx_reactor_task *task)
{
    if (!f || !task || !task->fn || priority < 0 || priority >= DX_FRAMES_LEVELS)
        return DX_FRAMES_EINVAL;
    task->next = NULL;
    DX_FRAMES_ASSERT(!f->first_[priority] || !f->last_[priority]->next);
    if (f->first_[priority]) f->last_[priority]->next = task;
    else f->first_[priority] = task;
    f->last_[priority] = task;
    return DX_FRAMES_OK;
}

/* The first task that may start after `used` ns of the frame; NULL: none. */
static dx_reactor_task *dx_frames_p_next(dx_frames *f, uint64_t used)
{
    const uint64_t limits[DX_FRAMES_LEVELS] = {f->desc_.budget_ns, f->desc_.yield_ns,
                                               f->desc_.idle_ns};
    int level;
    for (level = 0; level < DX_FRAMES_LEVELS; level++) {
        dx_reactor_task *task = f->first_[level];
        const bool starves = f->hungry_[level] > f->desc_.patience;
        if (!task || (used >= limits[level] && !starves)) continue;
        DX_FRAMES_ASSERT(task == f->last_[level] || task->next != NULL);
        f->first_[level] = task->next;
        f->hungry_[level] = 0;
        return task;
    }
    return NULL;
}

/* >>frame --------------------------------------------------------------
   Time within one frame, and the levels that may still start a task:

       0            idle_ns       yield_ns      budget_ns            period_ns
       |--- all three ---|-- no IDLE ---|- IMMEDIATE -|------ nothing ------|

   A level that has waited for more than `patience` frames starts one task at any time. */
static uint64_t dx_frames_p_now(const dx_frames *f)
{
    return f->desc_.clock ? f->desc_.clock(f->desc_.user) : dx_reactor_ext_clock_ns(NULL);
}

DX_FRAMES_API uint32_t dx_frames_run(dx_frames *f)
{
    const uint64_t start = dx_frames_p_now(f);
    uint64_t used = 0;
    uint32_t executed = 0;
    dx_reactor_task *task;
    int level;
    for (level = 0; level < DX_FRAMES_LEVELS; level++)
        if (f->first_[level]) f->hungry_[level]++;
    while ((task = dx_frames_p_next(f, used)) != NULL) {
        task->fn(task, NULL);
        executed++;
        used = dx_frames_p_now(f) - start;
    }
    f->now_.executed += executed;
    f->now_.used_ns += used;
    if (used < f->desc_.budget_ns) f->now_.remaining_ns += f->desc_.budget_ns - used;
    f->now_.frames++;
    DX_FRAMES_ASSERT(f->now_.frames <= DX_FRAMES_WINDOW);
    if (f->now_.frames == DX_FRAMES_WINDOW) {
        f->stats = f->now_;
        DX_FRAMES_MEMSET(&f->now_, 0, sizeof f->now_);
    }
    return executed;
}

/* >>timer --------------------------------------------------------------
   A timer of the reactor runs the frames. due_ advances by whole periods, so that the duration of
   the frames causes no drift. */
static void dx_frames_p_due(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_frames *f = (dx_frames *)dx_reactor_op_user(op);
    uint64_t now;
    (void)flags;
    DX_FRAMES_ASSERT(op == &f->timer_ && r == f->reactor_);
    if (f->running_ && result == 0) dx_frames_run(f);
    if (!f->running_) return; /* a task may have stopped it */
    now = dx_reactor_ext_clock_ns(r);
    f->due_ += f->desc_.period_ns;
    if (f->due_ < now) f->due_ = now; /* more than a frame late: skip the missed ones */
    f->running_ = dx_reactor_timer(r, op, f->due_ - now) == DX_REACTOR_OK;
}

DX_FRAMES_API int dx_frames_start(dx_frames *f, dx_reactor *r)
{
    const bool pending = dx_reactor_op_pending(&f->timer_);
    int error = DX_FRAMES_OK;
    if (!r || (pending && f->reactor_ != r)) return DX_FRAMES_EINVAL;
    if (!pending) {
        dx_reactor_op_init(&f->timer_, dx_frames_p_due, f);
        f->due_ = dx_reactor_ext_clock_ns(r);
        error = dx_reactor_timer(r, &f->timer_, 0);
    }
    f->reactor_ = r;
    f->running_ = error == DX_FRAMES_OK;
    return error;
}

DX_FRAMES_API void dx_frames_stop(dx_frames *f)
{
    if (f->running_) dx_reactor_cancel(f->reactor_, &f->timer_);
    f->running_ = false;
}

#endif /* DX_FRAMES_IMPLEMENTATION */

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
