/*  dx_frames.h - tasks of three priorities in frames that keep to a budget, for dx_reactor.h
               - MIT-0 or public domain, see the end of dx_reactor.h

    In the one file that holds the reactor's implementation:

        #define DX_REACTOR_IMPLEMENTATION
        #include "dx_reactor.h"
        #include "dx_frames.h"

    docs/reactor.md has an example. It reads the reactor's clock, so take both from one version. */
#ifndef DX_REACTOR_FRAMES_H
#define DX_REACTOR_FRAMES_H

/* Tasks (dx_reactor_task) in three levels, first in, first out in each; `worker` is NULL in their
   functions. */
typedef enum dx_reactor_priority {
    DX_REACTOR_IMMEDIATE = 0, /* begun until budget_ns of a frame are used */
    DX_REACTOR_NORMAL    = 1, /* until yield_ns */
    DX_REACTOR_IDLE      = 2  /* until idle_ns */
} dx_reactor_priority;

typedef struct dx_reactor_frames_desc {
    uint64_t budget_ns; /* 0 = 4 ms */
    uint64_t yield_ns;  /* 0 = 7/8 of it: 3.5 ms */
    uint64_t idle_ns;   /* 0 = half of it: 2 ms */
    uint64_t period_ns; /* from one frame to the next; 0 = 16,666,667 (60 a second) */
    uint32_t patience;  /* frames in which a level got nothing: then one of it runs; 0 = 60 */
    uint64_t (*clock)(void *user); /* ns; NULL: the monotonic clock */
    void    *user;
} dx_reactor_frames_desc;

typedef struct dx_reactor_frame_stats {
    uint64_t frames, executed, used_ns, remaining_ns; /* remaining of the budgets */
} dx_reactor_frame_stats;

typedef struct dx_reactor_frames { /* caller-allocated; one thread; the rest is private */
    dx_reactor_frame_stats stats;  /* of the last 60 whole frames; zero before there are so many */
    dx_reactor_frame_stats now_;
    dx_reactor_frames_desc desc_;
    dx_reactor_task       *first_[3], *last_[3];
    uint32_t               hungry_[3]; /* frames in a row that a level got nothing */
    uint64_t               due_;
    dx_reactor            *reactor_;
    dx_op                  timer_;
    bool                   running_;
} dx_reactor_frames;

/* desc NULL: all defaults. EINVAL: limits that are not in order. */
DX_REACTOR_API int dx_reactor_frames_init(dx_reactor_frames *f,
                                          const dx_reactor_frames_desc *desc);
/* O(1), any number of tasks. EINVAL. */
DX_REACTOR_API int dx_reactor_frames_push(dx_reactor_frames *f, int priority,
                                          dx_reactor_task *task);
/* One frame: what was left over first, until the limits. Returns how many tasks ran. A caller with
   a rhythm of its own calls this; dx_reactor_frames_start() has a timer of *r call it. */
DX_REACTOR_API uint32_t dx_reactor_frames_run(dx_reactor_frames *f);
/* OK also when it is started already; EINVAL, EAGAIN as dx_reactor_timer(). */
DX_REACTOR_API int  dx_reactor_frames_start(dx_reactor_frames *f, dx_reactor *r);
/* Once or more often; the tasks stay. *f may be freed when its reactor has turned once more. */
DX_REACTOR_API void dx_reactor_frames_stop(dx_reactor_frames *f);

DX_REACTOR_API int dx_reactor_frames_init(dx_reactor_frames *f, const dx_reactor_frames_desc *desc)
{
    dx_reactor_frames_desc *d = &f->desc_;
    DX_REACTOR_MEMSET(f, 0, sizeof *f);
    if (desc) *d = *desc;
    if (!d->budget_ns) d->budget_ns = 4000000;
    if (!d->yield_ns) d->yield_ns = d->budget_ns - d->budget_ns / 8;
    if (!d->idle_ns) d->idle_ns = d->budget_ns / 2;
    if (!d->period_ns) d->period_ns = 16666667;
    if (!d->patience) d->patience = 60;
    if (d->idle_ns > d->yield_ns || d->yield_ns > d->budget_ns) return DX_REACTOR_EINVAL;
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_frames_push(dx_reactor_frames *f, int priority,
                                          dx_reactor_task *task)
{
    if (!f || !task || !task->fn || priority < 0 || priority > DX_REACTOR_IDLE)
        return DX_REACTOR_EINVAL;
    task->next_ = NULL;
    if (f->first_[priority]) f->last_[priority]->next_ = task;
    else f->first_[priority] = task;
    f->last_[priority] = task;
    return DX_REACTOR_OK;
}

/* The first task that may begin now; NULL: none. */
static dx_reactor_task *dx_reactor_p_frame_take(dx_reactor_frames *f, uint64_t used)
{
    const uint64_t limits[3] = {f->desc_.budget_ns, f->desc_.yield_ns, f->desc_.idle_ns};
    int i;
    for (i = 0; i < 3; i++) {
        dx_reactor_task *task = f->first_[i];
        if (!task || (used >= limits[i] && f->hungry_[i] <= f->desc_.patience)) continue;
        f->first_[i] = task->next_;
        f->hungry_[i] = 0;
        return task;
    }
    return NULL;
}

static uint64_t dx_reactor_p_frame_clock(const dx_reactor_frames *f)
{
    return f->desc_.clock ? f->desc_.clock(f->desc_.user) : dx_reactor_p_monotonic();
}

DX_REACTOR_API uint32_t dx_reactor_frames_run(dx_reactor_frames *f)
{
    uint64_t start = dx_reactor_p_frame_clock(f), used = 0;
    uint32_t executed = 0, i;
    dx_reactor_task *task;
    for (i = 0; i < 3; i++)
        if (f->first_[i]) f->hungry_[i]++;
    for (; (task = dx_reactor_p_frame_take(f, used)) != NULL; executed++) {
        task->fn(task, NULL);
        used = dx_reactor_p_frame_clock(f) - start;
    }
    f->now_.executed += executed;
    f->now_.used_ns += used;
    f->now_.remaining_ns += used < f->desc_.budget_ns ? f->desc_.budget_ns - used : 0;
    if (++f->now_.frames == 60) {
        f->stats = f->now_;
        DX_REACTOR_MEMSET(&f->now_, 0, sizeof f->now_);
    }
    return executed;
}

static void dx_reactor_p_frame_due(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_reactor_frames *f = (dx_reactor_frames *)dx_reactor_op_user(op);
    uint64_t now;
    (void)flags;
    if (f->running_ && result == 0) dx_reactor_frames_run(f);
    if (!f->running_) return;
    now = dx_reactor_p_clock(r);
    f->due_ += f->desc_.period_ns;
    if (f->due_ < now) f->due_ = now; /* late by more than a frame: those are left out */
    f->running_ = dx_reactor_timer(r, op, f->due_ - now) == DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_frames_start(dx_reactor_frames *f, dx_reactor *r)
{
    bool pending = dx_reactor_op_pending(&f->timer_);
    int error = DX_REACTOR_OK;
    if (!r || (pending && f->reactor_ != r)) return DX_REACTOR_EINVAL;
    if (!pending) {
        dx_reactor_op_init(&f->timer_, dx_reactor_p_frame_due, f);
        f->due_ = dx_reactor_p_clock(r);
        error = dx_reactor_timer(r, &f->timer_, 0);
    }
    f->reactor_ = r;
    f->running_ = error == DX_REACTOR_OK;
    return error;
}

DX_REACTOR_API void dx_reactor_frames_stop(dx_reactor_frames *f)
{
    if (f->running_) dx_reactor_cancel(f->reactor_, &f->timer_);
    f->running_ = false;
}

#endif
