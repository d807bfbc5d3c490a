/*  reactor_faults.h - io_uring fault injection, between dx_reactor.h and the kernel

        #include "reactor_faults.h"      before dx_reactor.h, whose system calls it intercepts

    The reactor sees rings in ordinary memory. Its submissions are forwarded to a real kernel ring, and
    the completions come back with faults: delayed and reordered (those of one operation keep their
    order), short counts, -EINTR, -EAGAIN or an unrequested -ECANCELED in place of the work, calls that
    end with EINTR, EAGAIN or EBUSY or take only some entries, an apparent overflow of the completion
    queue, and zero-copy notifications that arrive late or only when the connection is reset. Some
    kernel may do any of this.

        faults_begin(seed, rate)         from now on; `rate` of each fault, per 65536
        faults_end()
        faults_count(), faults_names[]   how many of each kind were injected */
#ifndef DX_REACTOR_FAULTS_H
#define DX_REACTOR_FAULTS_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    FAULT_LATE, FAULT_SHORT, FAULT_SHORT_RECEIVE, FAULT_CANCELED, FAULT_INTERRUPTED, FAULT_AGAIN, FAULT_ABORTED, FAULT_CONNECT,
    FAULT_CALL_EINTR, FAULT_CALL_BUSY, FAULT_FEWER, FAULT_OVERFLOW, FAULT_NOTIFY, FAULT_KINDS
};

static const char *const faults_names[] = {
    "late or out of order", "short counts", "short receives", "unasked ECANCELED", "EINTR", "EAGAIN", "ECONNABORTED",
    "interrupted connects", "calls with EINTR", "calls with EAGAIN or EBUSY", "fewer entries taken",
    "overflows", "notifications held back"};

enum { FAULTS_FDS = 4096, FAULTS_LOANS = 512 };

enum { /* from <linux/io_uring.h>, as in dx_reactor.h */
    FAULTS_SETUP = 425, FAULTS_ENTER = 426, FAULTS_REGISTER = 427, FAULTS_PWAIT2 = 441,
    FAULTS_GETEVENTS = 1,
    FAULTS_EXT_ARG = 8, FAULTS_SQ_OVERFLOW = 2, FAULTS_SQ_TASKRUN = 4, FAULTS_CQE_NOTIFY = 8,
    FAULTS_OP_ACCEPT = 13, FAULTS_OP_CANCEL = 14, FAULTS_OP_CONNECT = 16, FAULTS_OP_SENDMSG = 9,
    FAULTS_OP_RECVMSG = 10, FAULTS_OP_READ = 22, FAULTS_OP_WRITE = 23, FAULTS_OP_SEND = 26,
    FAULTS_OP_RECV = 27, FAULTS_OP_SEND_ZC = 47
};

typedef struct faults_sqe {
    uint8_t  opcode, flags;
    uint16_t ioprio;
    int32_t  fd;
    uint64_t off, addr;
    uint32_t len, op_flags;
    uint64_t user_data, rest[3];
} faults_sqe;

typedef struct faults_cqe {
    uint64_t user_data;
    int32_t  result;
    uint32_t flags;
} faults_cqe;

typedef struct faults_side { /* one side of a ring: the reactor's or the kernel's */
    uint8_t    *map;
    faults_sqe *entries;
} faults_side;

typedef struct faults_held { /* a completion in flight */
    faults_cqe cqe;
    int        fd;       /* of a zero-copy send */
    bool       withheld; /* its notification waits for a reset or for time to pass */
} faults_held;

typedef struct faults_ring {
    int          fd;
    size_t       map_size, entries_size;
    uint32_t     sq_head, sq_tail, sq_mask, sq_flags, sq_array; /* offsets into the maps */
    uint32_t     cq_head, cq_tail, cq_mask, cq_entries, cq_count;
    faults_side  seen, real;
    faults_held *held;
    size_t       held_count, held_room;
    uint64_t     random, connecting; /* the connect submitted last */
    uint32_t     loans; /* zero-copy sends so far; the last ones: */
    struct {
        uint64_t user_data;
        int      fd;
    } loan[FAULTS_LOANS];
} faults_ring;

static struct {
    faults_ring *rings[FAULTS_FDS];
    uint64_t     seed, injected[FAULT_KINDS];
    uint32_t     rate;
    bool         whole; /* streams: one send arrives as one receive */
    bool         never; /* withheld notifications come only after a reset */
} faults;

/* >>choices ------------------------------------------------------------ */
static inline uint32_t faults_choose(faults_ring *g, uint32_t below)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (uint32_t)(((g->random >> 32) * below) >> 32);
}

/* Does a fault of this kind strike? Counts it if so. */
static inline bool faults_strike(faults_ring *g, int kind)
{
    if (!faults.rate || faults_choose(g, 65536) >= faults.rate) return false;
    __atomic_fetch_add(&faults.injected[kind], 1, __ATOMIC_RELAXED);
    return true;
}

static inline void faults_begin(uint64_t seed, uint32_t rate)
{
    faults.seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    faults.rate = rate;
}

static inline void faults_end(void)
{
    faults.rate = 0;
    faults.never = faults.whole = false;
}

static inline uint64_t faults_count(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < FAULT_KINDS; i++) sum += faults.injected[i];
    return sum;
}

/* >>ring --------------------------------------------------------------- */
static inline uint32_t *faults_at(const faults_side *side, uint32_t offset)
{
    return (uint32_t *)(void *)(side->map + offset);
}

static inline faults_ring *faults_of(long fd)
{
    return fd >= 0 && fd < FAULTS_FDS ? faults.rings[fd] : NULL;
}

static inline void faults_free(faults_ring *g)
{
    munmap(g->real.map, g->map_size);
    munmap(g->real.entries, g->entries_size);
    free(g->seen.map);
    free(g->seen.entries);
    free(g->held);
    faults.rings[g->fd] = NULL;
    free(g);
}

/* io_uring_setup(2): a kernel ring, and one in memory that looks the same. */
static inline long faults_setup(long entries, uint32_t *params)
{
    const int both = PROT_READ | PROT_WRITE;
    long fd = syscall(FAULTS_SETUP, entries, params);
    faults_ring *g;
    size_t sq_size, cq_size;
    if (fd < 0 || fd >= FAULTS_FDS) return fd;
    if (faults.rings[fd]) faults_free(faults.rings[fd]); /* left over from a ring that was closed without notice */
    g = (faults_ring *)calloc(1, sizeof *g);
    g->fd = (int)fd;
    g->random = faults.seed | 1;
    g->cq_count = params[1];
    g->sq_head = params[10];
    g->sq_tail = params[11];
    g->sq_mask = params[12];
    g->sq_flags = params[14];
    g->sq_array = params[16];
    g->cq_head = params[20];
    g->cq_tail = params[21];
    g->cq_mask = params[22];
    g->cq_entries = params[25];
    sq_size = g->sq_array + params[0] * sizeof(uint32_t);
    cq_size = g->cq_entries + params[1] * sizeof(faults_cqe);
    g->map_size = sq_size > cq_size ? sq_size : cq_size;
    g->entries_size = params[0] * sizeof(faults_sqe);
    g->real.map = (uint8_t *)mmap(NULL, g->map_size, both, MAP_SHARED, (int)fd, 0);
    g->real.entries = (faults_sqe *)mmap(NULL, g->entries_size, both, MAP_SHARED, (int)fd, 0x10000000);
    g->seen.map = (uint8_t *)malloc(g->map_size);
    g->seen.entries = (faults_sqe *)calloc(1, g->entries_size);
    memcpy(g->seen.map, g->real.map, g->map_size);
    for (uint32_t i = 0; i < params[0]; i++) faults_at(&g->real, g->sq_array)[i] = i;
    *faults_at(&g->seen, g->sq_flags) = FAULTS_SQ_TASKRUN; /* work to collect at any time */
    faults.rings[fd] = g;
    return fd;
}

static inline void faults_hold(faults_ring *g, const faults_cqe *cqe)
{
    faults_held *h;
    if (g->held_count == g->held_room) {
        g->held_room = g->held_room ? 2 * g->held_room : 64;
        g->held = (faults_held *)realloc(g->held, g->held_room * sizeof *g->held);
    }
    h = &g->held[g->held_count++];
    memset(h, 0, sizeof *h);
    h->cqe = *cqe;
    h->fd = -1;
    if (cqe->result == 0 && cqe->user_data == g->connecting && faults_strike(g, FAULT_CONNECT))
        h->cqe.result = -EINTR; /* the kernel still runs it */
    if (!(cqe->flags & FAULTS_CQE_NOTIFY)) return;
    for (uint32_t i = 0; i < FAULTS_LOANS && i < g->loans; i++) {
        uint32_t at = (g->loans - 1 - i) % FAULTS_LOANS;
        if (g->loan[at].user_data != cqe->user_data) continue;
        h->fd = g->loan[at].fd;
        h->withheld = h->fd >= 0 && faults_strike(g, FAULT_NOTIFY);
        return;
    }
}

static inline bool faults_listens(int fd)
{
    int on = 0;
    socklen_t size = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

/* Pass one entry to the kernel. False: it was not passed. */
static inline bool faults_pass(faults_ring *g, faults_sqe *s)
{
    const bool file = s->opcode == FAULTS_OP_READ || s->opcode == FAULTS_OP_WRITE;
    const bool receives = (s->opcode == FAULTS_OP_RECV && !s->ioprio) ||
                          (s->opcode == FAULTS_OP_READ && s->off == UINT64_MAX);
    const bool transfers = receives || s->opcode == FAULTS_OP_SEND || s->opcode == FAULTS_OP_SEND_ZC ||
                           file;
    const bool whole = faults.whole && !(file && s->off != UINT64_MAX);
    const bool waits = s->opcode == FAULTS_OP_SEND || s->opcode == FAULTS_OP_SEND_ZC ||
                       s->opcode == FAULTS_OP_RECV ||
                       (s->opcode == FAULTS_OP_ACCEPT && faults_listens(s->fd)) ||
                       s->opcode == FAULTS_OP_SENDMSG || s->opcode == FAULTS_OP_RECVMSG;
    faults_cqe cqe = {s->user_data, 0, 0};
    if (s->opcode != FAULTS_OP_CANCEL && s->opcode != 0) {
        if (faults_strike(g, FAULT_CANCELED)) cqe.result = -ECANCELED;
        else if (faults_strike(g, FAULT_INTERRUPTED)) cqe.result = -EINTR;
        else if (waits && faults_strike(g, FAULT_AGAIN)) cqe.result = -EAGAIN;
        else if (s->opcode == FAULTS_OP_ACCEPT && faults_listens(s->fd) && faults_strike(g, FAULT_ABORTED))
            cqe.result = -ECONNABORTED; /* the client has already gone */
    }
    if (cqe.result) {
        faults_hold(g, &cqe);
        return false;
    }
    if (transfers && s->len > 1 && !whole &&
        faults_strike(g, receives ? FAULT_SHORT_RECEIVE : FAULT_SHORT)) {
        s->len = 1 + faults_choose(g, s->len - 1);
        if (s->opcode == FAULTS_OP_SEND || s->opcode == FAULTS_OP_SEND_ZC)
            s->op_flags &= ~(uint32_t)MSG_WAITALL;
    }
    if (s->opcode == FAULTS_OP_CONNECT) g->connecting = s->user_data;
    else if (s->user_data == g->connecting) g->connecting = 0;
    if (s->opcode == FAULTS_OP_SEND_ZC) {
        g->loan[g->loans % FAULTS_LOANS].user_data = s->user_data;
        g->loan[g->loans++ % FAULTS_LOANS].fd = s->fd;
    }
    return true;
}

/* Submit `count` entries. Returns how many reach the kernel. */
static inline uint32_t faults_submit(faults_ring *g, uint32_t count)
{
    const uint32_t mask = *faults_at(&g->seen, g->sq_mask);
    uint32_t *head = faults_at(&g->seen, g->sq_head), *tail = faults_at(&g->real, g->sq_tail);
    uint32_t passed = 0;
    for (uint32_t i = 0; i < count; i++, *head += 1) {
        uint32_t at = faults_at(&g->seen, g->sq_array)[*head & mask];
        faults_sqe s = g->seen.entries[at];
        if (!faults_pass(g, &s)) continue;
        g->real.entries[(*tail + passed) & mask] = s;
        passed++;
    }
    __atomic_store_n(tail, *tail + passed, __ATOMIC_RELEASE);
    return passed;
}

/* The kernel's ring: submit, wait for `min` completions for at most timeout_ns (< 0: forever), collect
   what is there. Returns 0 or an errno. */
static inline int faults_collect(faults_ring *g, uint32_t count, uint32_t min, int64_t timeout_ns)
{
    int64_t t[2] = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    uint64_t argument[3] = {0, 0, (uint64_t)(uintptr_t)t};
    const bool limited = min && timeout_ns >= 0;
    const long flags = FAULTS_GETEVENTS | (limited ? FAULTS_EXT_ARG : 0);
    uint32_t *head = faults_at(&g->real, g->cq_head);
    long n = syscall(FAULTS_ENTER, (long)g->fd, (long)count, (long)min, flags,
                     limited ? argument : NULL, limited ? sizeof argument : 0);
    int error = n < 0 ? errno : 0;
    while (*head != __atomic_load_n(faults_at(&g->real, g->cq_tail), __ATOMIC_ACQUIRE)) {
        faults_cqe cqe;
        memcpy(&cqe, g->real.map + g->cq_entries + (*head & *faults_at(&g->real, g->cq_mask)) * sizeof cqe,
               sizeof cqe);
        faults_hold(g, &cqe);
        __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    }
    return error;
}

static inline uint32_t faults_ready(const faults_ring *g)
{
    return *faults_at(&g->seen, g->cq_tail) - *faults_at(&g->seen, g->cq_head);
}

/* Release one completion, at random among those that are first of their operation. False: none. */
static inline bool faults_release(faults_ring *g, bool also_withheld)
{
    const uint32_t mask = *faults_at(&g->seen, g->cq_mask);
    const size_t start = faults.rate ? faults_choose(g, (uint32_t)g->held_count + 1) : 0;
    uint32_t *tail = faults_at(&g->seen, g->cq_tail);
    if (faults_ready(g) == g->cq_count) return false;
    for (size_t i = 0; i < g->held_count; i++) {
        size_t at = (start + i) % g->held_count, first = 0;
        if (g->held[at].withheld && (!also_withheld || faults.never)) continue;
        while (g->held[first].cqe.user_data != g->held[at].cqe.user_data) first++;
        if (first != at && g->held[first].withheld) continue;
        memcpy(g->seen.map + g->cq_entries + (*tail & mask) * sizeof(faults_cqe), &g->held[first].cqe,
               sizeof(faults_cqe));
        __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
        memmove(&g->held[first], &g->held[first + 1], (--g->held_count - first) * sizeof *g->held);
        return true;
    }
    return false;
}

static inline int64_t faults_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Wait until `min` completions are visible. Returns 0 or an errno. */
static inline int faults_wait(faults_ring *g, uint32_t min, int64_t timeout_ns)
{
    const int64_t end = timeout_ns < 0 ? INT64_MAX : faults_clock() + timeout_ns;
    if (min > g->cq_count) min = g->cq_count;
    while (faults_ready(g) < min) {
        int64_t left = timeout_ns < 0 ? -1 : end - faults_clock();
        int error;
        if (faults_release(g, true)) continue;
        if (timeout_ns >= 0 && left <= 0) return ETIME;
        error = faults_collect(g, 0, 1, left);
        if (error) return error;
    }
    return 0;
}

/* io_uring_enter(2). */
static inline long faults_enter(faults_ring *g, uint32_t count, uint32_t min, uint32_t flags,
                                const uint64_t *argument)
{
    const bool waits = min && (flags & FAULTS_GETEVENTS);
    uint32_t *seen_flags = faults_at(&g->seen, g->sq_flags), taken = count, passed;
    int64_t timeout_ns = -1;
    int error;
    if (waits && (flags & FAULTS_EXT_ARG)) {
        const int64_t *t = (const int64_t *)(uintptr_t)argument[2];
        timeout_ns = t[0] * 1000000000 + t[1];
    }
    if (count && faults_strike(g, FAULT_CALL_BUSY)) {
        errno = faults_choose(g, 2) ? EAGAIN : EBUSY;
        return -1;
    }
    if (waits && faults_strike(g, FAULT_CALL_EINTR)) {
        errno = EINTR;
        return -1;
    }
    if (count > 1 && faults_strike(g, FAULT_FEWER)) taken = 1 + faults_choose(g, count - 1);
    passed = faults_submit(g, taken);
    error = faults_collect(g, passed, 0, -1);
    if (error && error != EINTR && error != EAGAIN && error != EBUSY) {
        errno = error;
        return -1;
    }
    while (!faults_strike(g, FAULT_LATE) && faults_release(g, false)) {}
    error = 0;
    if (waits && taken == count) error = faults_wait(g, min, timeout_ns);
    if (flags & FAULTS_GETEVENTS) *seen_flags &= ~(uint32_t)FAULTS_SQ_OVERFLOW;
    if (g->held_count && (faults_ready(g) == g->cq_count || faults_strike(g, FAULT_OVERFLOW)))
        *seen_flags |= FAULTS_SQ_OVERFLOW;
    if (!error || taken) return (long)taken;
    errno = error;
    return -1;
}

/* >>system calls of the reactor ----------------------------------------- */
/* Does this call take a sixth argument? Only then may one be read. */
static inline bool faults_has_six(long number)
{
    return number == FAULTS_ENTER || number == FAULTS_PWAIT2 || number == SYS_preadv2 || number == SYS_pwritev2;
}

static inline long faults_syscall(long number, ...)
{
    long a[6];
    va_list list;
    faults_ring *g;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = i < 5 || faults_has_six(number) ? va_arg(list, long) : 0;
    va_end(list);
    if (number == FAULTS_SETUP) return faults_setup(a[0], (uint32_t *)(uintptr_t)a[1]);
    g = number == FAULTS_ENTER ? faults_of(a[0]) : NULL;
    /* Forwarded as is: the reactor's probe whether a disabled ring may be entered. */
    if (!g || (!a[1] && !a[2] && !a[3])) return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return faults_enter(g, (uint32_t)a[1], (uint32_t)a[2], (uint32_t)a[3],
                        (const uint64_t *)(uintptr_t)a[4]);
}

static inline void *faults_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    faults_ring *g = faults_of(fd);
    if (!g) return mmap(at, size, protection, flags, fd, offset);
    return offset ? (void *)g->seen.entries : (void *)g->seen.map;
}

static inline int faults_munmap(void *at, size_t size)
{
    for (int i = 0; i < FAULTS_FDS; i++) {
        faults_ring *g = faults.rings[i];
        if (g && at == (void *)g->seen.entries) return 0;
        if (!g || at != (void *)g->seen.map) continue;
        faults_free(g);
        return 0;
    }
    return munmap(at, size);
}

/* A connection is reset: the kernel releases its zero-copy buffers. */
static inline int faults_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int result = connect(fd, address, size);
    if (address->sa_family != AF_UNSPEC) return result;
    for (int i = 0; i < FAULTS_FDS; i++) {
        faults_ring *g = faults.rings[i];
        for (size_t k = 0; g && k < g->held_count; k++)
            if (g->held[k].fd == fd) g->held[k].withheld = false;
        for (size_t k = 0; g && k < FAULTS_LOANS; k++)
            if (g->loan[k].fd == fd) g->loan[k].fd = -1;
    }
    return result;
}

#define syscall faults_syscall
#define mmap    faults_mmap
#define munmap  faults_munmap
#define connect faults_connect

#endif
