/* Test only: see sys/event.h. A kqueue is an epoll descriptor that holds two others, one for
   readability and one for writability, so that the edges of the two filters stay apart, and an
   eventfd that user triggers ring. The filters of a descriptor are knotes in a list of the kqueue. */
#define _GNU_SOURCE
#include "sys/event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { BUCKETS = 4096, QUEUES = 64, GATHER = 64 };

typedef struct knote {
    struct knote *next, *next_special;
    struct kevent event; /* flags: EV_CLEAR, EV_ONESHOT, EV_DISPATCH and EV_DISABLE */
    int      timer;      /* timerfd */
    uint32_t user;       /* fflags of a user event */
    bool     triggered, always, special;
} knote;

typedef struct queue {
    int    fd, sides[2], bell;
    knote *buckets[BUCKETS];
    knote *special; /* user events, timers and files: looked at one by one */
} queue;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static queue   *queues[QUEUES];
static uint32_t faults;
static uint64_t calls_made, changes_made;

void kqueue_shim_faults(uint32_t seed)
{
    faults = seed;
}

void kqueue_shim_counts(uint64_t *calls, uint64_t *changes)
{
    *calls = calls_made;
    *changes = changes_made;
}

/* True once in `of` times, when faults are on. */
static bool fault(uint32_t of)
{
    if (!faults) return false;
    faults ^= faults << 13;
    faults ^= faults >> 17;
    faults ^= faults << 5;
    return faults % of == 0;
}

static knote **slot(queue *q, uintptr_t ident, int filter)
{
    knote **at = &q->buckets[(ident * 4 + (unsigned)(filter & 3)) % BUCKETS];
    while (*at && ((*at)->event.ident != ident || (*at)->event.filter != filter)) at = &(*at)->next;
    return at;
}

static int side_of(const queue *q, const knote *k)
{
    return q->sides[k->event.filter == EVFILT_WRITE];
}

/* Tell epoll about a knote of a descriptor. 0 or an errno. */
static int watch(const queue *q, knote *k)
{
    struct epoll_event e = {0};
    bool off = (k->event.flags & EV_DISABLE) != 0;
    int fd = k->event.filter == EVFILT_TIMER ? k->timer : (int)k->event.ident;
    e.data.ptr = k;
    if (!off) e.events = k->event.filter == EVFILT_WRITE ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;
    if (!off && (k->event.flags & EV_CLEAR)) e.events |= EPOLLET;
    if (off) e.events = EPOLLET;
    if (epoll_ctl(side_of(q, k), EPOLL_CTL_MOD, fd, &e) == 0) return 0;
    if (errno == ENOENT && epoll_ctl(side_of(q, k), EPOLL_CTL_ADD, fd, &e) == 0) return 0;
    return errno;
}

static void drop(queue *q, knote **at)
{
    knote *k = *at, **special = &q->special;
    struct epoll_event unused = {0};
    if (k->timer >= 0) close(k->timer);
    else if (!k->special) epoll_ctl(side_of(q, k), EPOLL_CTL_DEL, (int)k->event.ident, &unused);
    while (*special && *special != k) special = &(*special)->next_special;
    if (*special) *special = k->next_special;
    *at = k->next;
    free(k);
}

static int set_timer(knote *k)
{
    struct itimerspec t = {{0, 0}, {0, 0}};
    int64_t unit = k->event.fflags & NOTE_SECONDS    ? 1000000000
                   : k->event.fflags & NOTE_USECONDS ? 1000
                   : k->event.fflags & NOTE_NSECONDS ? 1
                                                     : 1000000;
    int64_t ns = k->event.data * unit;
    if (ns < 1) ns = 1;
    t.it_value.tv_sec = ns / 1000000000;
    t.it_value.tv_nsec = ns % 1000000000;
    if (!(k->event.flags & EV_ONESHOT)) t.it_interval = t.it_value;
    return timerfd_settime(k->timer, 0, &t, NULL) == 0 ? 0 : errno;
}

static void make_special(queue *q, knote *k)
{
    if (k->special) return;
    k->special = true;
    k->next_special = q->special;
    q->special = k;
}

static int add(queue *q, const struct kevent *c, knote **at)
{
    knote *k = *at;
    bool fresh = !k;
    int error = 0;
    if (fresh) {
        k = calloc(1, sizeof *k);
        if (!k) return ENOMEM;
        k->timer = -1;
        *at = k;
    }
    k->event = *c;
    k->event.flags &= EV_CLEAR | EV_ONESHOT | EV_DISPATCH | EV_DISABLE;
    if (c->filter == EVFILT_USER) {
        make_special(q, k);
    } else if (c->filter == EVFILT_TIMER) {
        if (fresh) k->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        k->event.flags |= EV_CLEAR;
        error = k->timer < 0 ? errno : set_timer(k);
        if (!error) error = watch(q, k);
    } else if (fcntl((int)c->ident, F_GETFD) < 0) {
        error = EBADF;
    } else {
        error = watch(q, k);
        if (error == EPERM) { /* a regular file is always ready */
            make_special(q, k);
            k->always = k->triggered = true;
            error = 0;
        }
    }
    if (error) drop(q, at);
    return error;
}

static void trigger(queue *q, knote *k, const struct kevent *c)
{
    uint32_t bits = c->fflags & NOTE_FFLAGSMASK;
    uint64_t one = 1;
    switch (c->fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND: k->user &= bits; break;
    case NOTE_FFOR: k->user |= bits; break;
    case NOTE_FFCOPY: k->user = bits; break;
    default: break;
    }
    if (!(c->fflags & NOTE_TRIGGER)) return;
    k->triggered = true;
    while (write(q->bell, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* One change. 0 or an errno. */
static int change(queue *q, const struct kevent *c)
{
    knote **at = slot(q, c->ident, c->filter);
    int error = 0;
    changes_made++;
    if (c->filter != EVFILT_READ && c->filter != EVFILT_WRITE && c->filter != EVFILT_TIMER &&
        c->filter != EVFILT_USER)
        return EINVAL;
    if (*at && c->filter != EVFILT_USER && c->filter != EVFILT_TIMER &&
        fcntl((int)c->ident, F_GETFD) < 0) {
        drop(q, at); /* BSD forgets the filters of a descriptor when it is closed */
        return EBADF;
    }
    if (c->flags & EV_DELETE) {
        if (!*at) return ENOENT;
        drop(q, at);
        return 0;
    }
    if (c->flags & EV_ADD) error = add(q, c, at);
    else if (!*at) return ENOENT;
    if (error) return error;
    if (c->filter == EVFILT_USER) trigger(q, *at, c);
    if (c->flags & (EV_ENABLE | EV_DISABLE)) {
        uint16_t off = (c->flags & EV_DISABLE) ? EV_DISABLE : 0;
        (*at)->event.flags = (uint16_t)(((*at)->event.flags & ~EV_DISABLE) | off);
        if (!(*at)->special) error = watch(q, *at);
    }
    return error;
}

static int64_t readable_bytes(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    int listening = 0, n = 0;
    socklen_t int_size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_size) == 0 && listening)
        return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_unacked : 1;
    return ioctl(fd, FIONREAD, &n) == 0 ? n : 0;
}

static int64_t writable_bytes(int fd)
{
    int size = 0, queued = 0;
    socklen_t int_size = sizeof size;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &int_size) != 0) return 4096;
    if (ioctl(fd, SIOCOUTQ, &queued) != 0) queued = 0;
    return size > queued ? size - queued : 0;
}

/* The event of a knote that has fired. False: it is not to be reported. */
static bool report(queue *q, knote *k, uint32_t bits, struct kevent *out)
{
    int fd = (int)k->event.ident;
    uint64_t count = 0;
    *out = k->event;
    out->flags &= (uint16_t)~EV_DISABLE;
    out->fflags = 0;
    out->data = 0;
    switch (k->event.filter) {
    case EVFILT_USER:
        out->fflags = k->user;
        if (k->event.flags & EV_CLEAR) k->triggered = false;
        break;
    case EVFILT_TIMER:
        if (read(k->timer, &count, sizeof count) < 0) return false;
        out->data = (int64_t)count;
        break;
    default:
        if (!k->always && fcntl(fd, F_GETFD) < 0) return false; /* closed, a duplicate is open */
        /* SO_ERROR would belong into fflags, but reading it on Linux takes it from recv(). */
        if (bits & (EPOLLHUP | EPOLLERR)) out->flags |= EV_EOF;
        if (k->event.filter == EVFILT_READ && (bits & EPOLLRDHUP)) out->flags |= EV_EOF;
        out->data = k->event.filter == EVFILT_READ ? readable_bytes(fd) : writable_bytes(fd);
        if (k->always && (k->event.flags & EV_CLEAR)) k->triggered = false;
        break;
    }
    if (k->event.flags & EV_ONESHOT) {
        drop(q, slot(q, k->event.ident, k->event.filter));
    } else if (k->event.flags & EV_DISPATCH) {
        k->event.flags |= EV_DISABLE;
        if (!k->special) watch(q, k);
    }
    return true;
}

static int gather_side(queue *q, int side, struct kevent *out, int room)
{
    struct epoll_event got[GATHER];
    int n = room < GATHER ? room : GATHER, count = 0;
    n = n > 0 ? epoll_wait(q->sides[side], got, n, 0) : 0;
    for (int i = 0; i < n; i++)
        if (report(q, (knote *)got[i].data.ptr, got[i].events, out + count)) count++;
    return count;
}

static int gather_special(queue *q, struct kevent *out, int room)
{
    knote *k = q->special, *next;
    uint64_t count;
    int n = 0;
    while (read(q->bell, &count, sizeof count) < 0 && errno == EINTR) {}
    for (; k && n < room; k = next) {
        next = k->next_special;
        if (k->triggered && !(k->event.flags & EV_DISABLE) && report(q, k, 0, out + n)) n++;
    }
    return n;
}

/* A filter that is not ready, as if its condition had gone between the event and its delivery. */
static int gather_spurious(queue *q, struct kevent *out, int room)
{
    int n = 0;
    for (int i = 0; i < BUCKETS && n < room; i++)
        for (knote *k = q->buckets[i]; k && n < room; k = k->next)
            if (!k->special && k->timer < 0 && !(k->event.flags & (EV_DISABLE | EV_ONESHOT)) &&
                fault(8))
                out[n++] = k->event;
    return n;
}

static int gather(queue *q, struct kevent *out, int room)
{
    int n;
    if (fault(4)) room = 1;
    n = gather_special(q, out, room);
    n += gather_side(q, 0, out + n, room - n);
    n += gather_side(q, 1, out + n, room - n);
    if (n < room && fault(16)) n += gather_spurious(q, out + n, room - n);
    return n;
}

static queue *find(int fd)
{
    for (int i = 0; i < QUEUES; i++)
        if (queues[i] && queues[i]->fd == fd) return queues[i];
    return NULL;
}

static void dispose(queue *q)
{
    for (int i = 0; i < BUCKETS; i++)
        while (q->buckets[i]) drop(q, &q->buckets[i]);
    close(q->sides[0]);
    close(q->sides[1]);
    close(q->bell);
    free(q);
}

/* The descriptor itself can be closed by close(2): the rest is given back when its number returns. */
int kqueue(void)
{
    queue *q = calloc(1, sizeof *q);
    struct epoll_event e = {0};
    int place = 0;
    if (!q) return -1;
    q->fd = epoll_create1(0);
    if (q->fd < 0) {
        free(q);
        return -1;
    }
    pthread_mutex_lock(&lock);
    for (int i = 0; i < QUEUES; i++)
        if (queues[i] && queues[i]->fd == q->fd) {
            dispose(queues[i]);
            queues[i] = NULL;
        }
    while (place < QUEUES && queues[place]) place++;
    if (place < QUEUES) queues[place] = q;
    pthread_mutex_unlock(&lock);
    if (place == QUEUES) abort();
    e.events = EPOLLIN;
    for (int i = 0; i < 2; i++) {
        q->sides[i] = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(q->fd, EPOLL_CTL_ADD, q->sides[i], &e);
    }
    q->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_ctl(q->fd, EPOLL_CTL_ADD, q->bell, &e);
    return q->fd;
}

/* The changes; what went wrong, and the receipts, into out. -1: an errno that found no room. */
static int apply(queue *q, const struct kevent *changes, int count, struct kevent *out, int room)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        struct kevent c = changes[i]; /* the two lists may be the same memory */
        int error = change(q, &c);
        if (!error && !(c.flags & EV_RECEIPT)) continue;
        if (n == room) {
            if (!error) continue;
            errno = error;
            return -1;
        }
        out[n] = c;
        out[n].flags |= EV_ERROR;
        out[n++].data = error;
    }
    return n;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Sleep until something may be there. 1, 0: the time is over, -1. */
static int sleep_until(const queue *q, bool forever, uint64_t end)
{
    struct pollfd p = {q->fd, POLLIN, 0};
    uint64_t now = forever ? 0 : now_ns();
    struct timespec left = {0, 0};
    if (!forever && now < end) {
        left.tv_sec = (time_t)((end - now) / 1000000000u);
        left.tv_nsec = (long)((end - now) % 1000000000u);
    }
    return ppoll(&p, 1, forever ? NULL : &left, NULL);
}

int kevent(int kq, const struct kevent *changes, int change_count, struct kevent *events,
           int event_count, const struct timespec *timeout)
{
    uint64_t end = 0;
    queue *q;
    int n;
    pthread_mutex_lock(&lock);
    calls_made++;
    q = find(kq);
    if (q && !change_count && fault(8)) {
        errno = EINTR;
        q = NULL;
    } else if (!q) {
        errno = EBADF;
    }
    n = q ? apply(q, changes, change_count, events, event_count) : -1;
    pthread_mutex_unlock(&lock);
    if (n != 0 || event_count == 0) return n;
    if (timeout)
        end = now_ns() + (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_nsec;
    for (;;) {
        int more;
        pthread_mutex_lock(&lock);
        n = gather(q, events, event_count);
        pthread_mutex_unlock(&lock);
        if (n) return n;
        if (timeout && now_ns() >= end) return 0;
        more = sleep_until(q, !timeout, end);
        if (more < 0) return -1;
    }
}
