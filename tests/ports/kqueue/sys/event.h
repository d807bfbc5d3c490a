/* Test only: the part of BSD's kqueue that dx_reactor.h uses, made of epoll, timerfd and eventfd by
   kqueue_shim.c. It lets the kqueue backend run on Linux; it proves nothing about a BSD kernel. */
#ifndef KQUEUE_SHIM_SYS_EVENT_H
#define KQUEUE_SHIM_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_TIMER (-7)
#define EVFILT_USER  (-10)

#define EV_ADD      0x0001
#define EV_DELETE   0x0002
#define EV_ENABLE   0x0004
#define EV_DISABLE  0x0008
#define EV_ONESHOT  0x0010
#define EV_CLEAR    0x0020
#define EV_RECEIPT  0x0040
#define EV_DISPATCH 0x0080
#define EV_ERROR    0x4000
#define EV_EOF      0x8000

#define NOTE_FFNOP      0x00000000u
#define NOTE_FFAND      0x40000000u
#define NOTE_FFOR       0x80000000u
#define NOTE_FFCOPY     0xc0000000u
#define NOTE_FFCTRLMASK 0xc0000000u
#define NOTE_FFLAGSMASK 0x00ffffffu
#define NOTE_TRIGGER    0x01000000u

#define NOTE_SECONDS  1u
#define NOTE_USECONDS 2u
#define NOTE_NSECONDS 4u

struct kevent {
    uintptr_t ident;
    int16_t   filter;
    uint16_t  flags;
    uint32_t  fflags;
    int64_t   data;
    void     *udata;
};

#define EV_SET(event, i, f, l, g, d, u)      \
    do {                                     \
        struct kevent *ev_set_ = (event);    \
        ev_set_->ident = (uintptr_t)(i);     \
        ev_set_->filter = (int16_t)(f);      \
        ev_set_->flags = (uint16_t)(l);      \
        ev_set_->fflags = (uint32_t)(g);     \
        ev_set_->data = (int64_t)(d);        \
        ev_set_->udata = (void *)(u);        \
    } while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int change_count, struct kevent *events,
           int event_count, const struct timespec *timeout);

/* Faults, decided by a generator that starts with `seed` (0: none): kevent() fails with EINTR,
   reports filters that are not ready, returns fewer events than it has. */
void kqueue_shim_faults(uint32_t seed);
/* How often kevent() was called, and how many changes it was given: since the start. */
void kqueue_shim_counts(uint64_t *calls, uint64_t *changes);

#ifdef __cplusplus
}
#endif
#endif
