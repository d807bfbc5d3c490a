/*  dx_reactor.h - v0.1.0 - completion-based event loop: io_uring and epoll behind one interface
                           - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_REACTOR_IMPLEMENTATION     (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_reactor.h"

    and include it elsewhere without the define. C99; also builds as C++11. Linux; no library but
    libc, no feature macro, no <linux/io_uring.h>.

    QUICK EXAMPLE

        static uint64_t memory[16384];                   // 128 KiB; dx_reactor_memory_size() says
        dx_reactor r;                                    // how much a descriptor needs
        dx_reactor_desc desc = {0};
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;

        dx_op tick = {0};
        tick.user_data = 42;
        dx_reactor_timer(&r, &tick, 1000000);            // in one millisecond ...
        dx_completion done;
        int count = dx_reactor_wait(&r, &done, 1, DX_REACTOR_FOREVER);
        printf("%s: %d completion, user_data %d, result %d\n", dx_reactor_backend_name(&r), count,
               (int)done.user_data, (int)done.result);
        if (dx_reactor_close(&r) != DX_REACTOR_OK || count != 1 || done.user_data != 42) return 1;

    CONTENTS (search >>)
        config  errors  op  descriptor  lifetime  consuming  operations  control  threads
        sockets  results  platform  helpers  memory  table  timers  queues  finish  io_uring
        epoll  backends  start  posts  turn  public  license

    HOW IT WORKS
        The caller owns every dx_op (64 bytes), fills in fn and user_data, and starts it with
        dx_reactor_recv(), dx_reactor_timer() and so on. Each started operation ends with exactly
        one terminal completion. It comes out of one of these, never out of the starting call:

            dx_reactor_run(r), dx_reactor_turn(r, timeout)     call op->fn(r, op, result, flags)
            dx_reactor_wait(r, completions, capacity, timeout) fills an array of
            dx_reactor_submit_and_wait(...)                    {user_data, result, flags}

        A result >= 0 is a number of bytes, a descriptor or 0; a negative one is -errno, the same
        on every backend. Operations on the same side of a descriptor (accept, recv and read; or
        connect, send, write and shutdown) run one after the other in the order of their start.

    GUARANTEES  No allocation, no thread, no global, no printing. Never blocks but in wait, turn,
                run and close. No descriptor of its own survives exec. SIGPIPE is never raised by
                a socket. docs/REACTOR.md numbers what holds on every backend.
    LIMITS      desc.pending_max operations and desc.descriptors_max descriptors at a time, both
                limits checked; 2^31-1 bytes an operation; one thread per reactor, which opens,
                uses and closes it (post, wake and stop may come from any). Descriptors for accept,
                connect and stream reads and writes must be non-blocking (those made here are).
    CONFIG      DX_REACTOR_STATIC, DX_REACTOR_API, DX_REACTOR_ASSERT(c), DX_REACTOR_MEMCPY,
                DX_REACTOR_MEMMOVE, DX_REACTOR_MEMSET, DX_REACTOR_MEMCMP
    ERRORS      dx_reactor_error: 0 = ok, negative = reason; results of operations are -errno
    OWNERSHIP   An operation and the buffer it names belong to the reactor from the start to the
                terminal completion. desc.memory is borrowed until dx_reactor_close().
*/
#ifndef DX_REACTOR_H
#define DX_REACTOR_H

#define DX_REACTOR_VERSION 0x000100 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_REACTOR_API
  #ifdef DX_REACTOR_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_REACTOR_API static __attribute__((unused))
    #else
      #define DX_REACTOR_API static
    #endif
  #else
    #define DX_REACTOR_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
typedef enum dx_reactor_error {
    DX_REACTOR_OK         = 0,
    DX_REACTOR_EINVAL     = -1,  /* an argument breaks its documented contract */
    DX_REACTOR_ENOMEM     = -2,  /* desc.memory is missing or too small */
    DX_REACTOR_ENOSPACE   = -3,  /* the output buffer is full */
    DX_REACTOR_ETOOBIG    = -4,  /* above a limit */
    DX_REACTOR_ECORRUPT   = -5,  /* never returned here */
    DX_REACTOR_EAGAIN     = -6,  /* full at the moment: consume completions, then try again */
    DX_REACTOR_ESYS       = -7,  /* the system refused: dx_reactor_sys_errno() */
    DX_REACTOR_ENOTSUP    = -8,  /* the backend that was asked for is not available */
    DX_REACTOR_ENOTFOUND  = -9,  /* the operation is not pending */
    DX_REACTOR_ECANCELED  = -10, /* the reactor is being closed */
    DX_REACTOR_ETRUNCATED = -11, /* never returned here */
    DX_REACTOR_EVERSION   = -12, /* never returned here */
    DX_REACTOR_EALREADY   = -32, /* too late to cancel: the completion is queued */
    DX_REACTOR_EREENTRY   = -33  /* called from inside an operation's function */
} dx_reactor_error;

/* "DX_REACTOR_EINVAL" and so on; "DX_REACTOR_E?" for other numbers. Static storage. */
DX_REACTOR_API const char *dx_reactor_error_name(int error);

/* >>op ----------------------------------------------------------------- */
#define DX_REACTOR_FOREVER   ((int64_t)-1)
#define DX_REACTOR_NO_OFFSET UINT64_MAX /* read and write: a pipe, a terminal or another stream */

typedef struct dx_reactor dx_reactor;
typedef struct dx_op dx_op;

/* What dx_reactor_turn() calls. It may start operations, the same op included unless flags has
   DX_REACTOR_F_MORE, and it may cancel; it must not wait, turn, run or close the reactor. After a
   terminal completion the reactor does not touch *op again: its memory may be freed here. */
typedef void dx_op_fn(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);

/* Of a completion: more of this operation follow; without it the completion is the terminal one. */
#define DX_REACTOR_F_MORE 1u

/* Readiness, for dx_reactor_poll() and its result. ERROR and HUP are reported unasked. */
#define DX_REACTOR_READABLE 1u
#define DX_REACTOR_WRITABLE 2u
#define DX_REACTOR_ERROR    4u
#define DX_REACTOR_HUP      8u

/* One operation. All zero before its first use; then the same op may be used again and again,
   after each terminal completion. Not to be moved or changed while it is pending. */
struct dx_op {
    uint64_t  user_data; /* the caller's; comes back in dx_completion */
    dx_op_fn *fn;        /* the caller's; NULL where only dx_reactor_wait() is used */
    dx_op    *next_, *prev_;
    void     *buffer_;
    uint64_t  offset_;
    union {
        struct {
            uint32_t size, done;
        } bytes;
        dx_op *target;
    } u_;
    int32_t  fd_;
    uint8_t  kind_, state_;
    uint16_t flags_;
};

typedef struct dx_completion { /* 16 bytes */
    uint64_t user_data; /* of the operation */
    int32_t  result;    /* >= 0: bytes, descriptor or 0; < 0: -errno */
    uint32_t flags;     /* DX_REACTOR_F_ */
} dx_completion;

/* *op = all zero, fn, and user_data = the pointer. Not while op is pending. */
DX_REACTOR_API void     dx_reactor_op_init(dx_op *op, dx_op_fn *fn, void *user);
/* user_data as the pointer that dx_reactor_op_init() put there. */
DX_REACTOR_API void    *dx_reactor_op_user(const dx_op *op);
/* From the start to the delivery of the terminal completion. */
DX_REACTOR_API bool     dx_reactor_op_pending(const dx_op *op);
/* Bytes that a send, read or write had moved when it ended, also when it ended in an error. */
DX_REACTOR_API uint32_t dx_reactor_op_transferred(const dx_op *op);

/* >>descriptor --------------------------------------------------------- */
typedef enum dx_reactor_backend {
    DX_REACTOR_BACKEND_AUTO     = 0, /* the first of the list below that the system grants */
    DX_REACTOR_BACKEND_IO_URING = 1,
    DX_REACTOR_BACKEND_EPOLL    = 2
} dx_reactor_backend;

enum { DX_REACTOR_BACKEND_COUNT = 3 };

typedef struct dx_reactor_desc {
    void    *memory;          /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size;     /* bytes; at least dx_reactor_memory_size() */
    int      backend;         /* dx_reactor_backend; asked for by name: that one or ENOTSUP */
    uint32_t pending_max;     /* operations at a time; 0 = 16384 */
    uint32_t descriptors_max; /* descriptors in use at a time; 0 = 1024; at most 2^24 */
    uint32_t posts_max;       /* undelivered messages; 0 = 256; rounded up to a power of two */
    uint32_t queue_entries;   /* io_uring submission queue; 0 = 256; the kernel may clamp it */
    uint32_t completion_entries; /* io_uring completion queue; 0 = four times queue_entries */
    uint32_t budget;          /* completions a turn; 0 = 256 */
    bool     allow_blocking_files; /* epoll: reads, writes and fsync of files may block the loop;
                                      false: they end with -ENOTSUP there */
} dx_reactor_desc;

typedef struct dx_reactor_stats { /* since dx_reactor_open() */
    uint64_t started, completed;  /* operations; terminal completions delivered */
    uint64_t system_waits;        /* io_uring_enter, epoll_wait */
    uint64_t stale_events;        /* dropped: they belonged to a descriptor closed meanwhile */
    uint64_t overflows;           /* times the kernel's completion queue had overflowed */
} dx_reactor_stats;

/* One more word than a pointer-sized payload: a kind and two arguments, say. */
typedef struct dx_reactor_message {
    uint64_t words[3];
} dx_reactor_message;

struct dx_reactor_p_fd;
struct dx_reactor_p_cell;
struct dx_reactor_p_backend;
typedef struct dx_reactor_p_more { /* an accepted descriptor on its way out */
    dx_op  *op;
    int32_t result;
} dx_reactor_p_more;

typedef struct dx_reactor_p_ring { /* the io_uring backend */
    void     *map;
    size_t    map_size;
    void     *entries; /* submission entries, 64 bytes each */
    size_t    entries_size;
    uint32_t *sq_head, *sq_tail, *sq_flags, *sq_array, *cq_head, *cq_tail;
    uint8_t  *cq_entries;
    uint32_t  sq_mask, sq_count, cq_mask, tail, features, setup_flags;
    uint32_t  kernel_count; /* entries that the kernel owes a completion for */
    bool      no_multishot, wake_armed;
} dx_reactor_p_ring;

enum { DX_REACTOR_P_MORE_COUNT = 64, DX_REACTOR_P_TEXT_SIZE = 64 };

struct dx_reactor { /* caller-allocated; every field is private; not to be moved while open */
    const struct dx_reactor_p_backend *backend_;
    struct dx_reactor_p_fd   *fds_;
    uint32_t                 *buckets_;
    struct dx_reactor_p_cell *cells_;
    void                     *events_;
    dx_op   *done_first_, *done_last_;         /* completed, not delivered */
    dx_op   *timers_;                          /* pairing heap */
    dx_op   *receiver_first_, *receiver_last_; /* waiting for messages */
    uint64_t now_;
    uint32_t bucket_mask_, fd_free_, fd_retry_, generation_, timer_order_;
    uint32_t pending_, pending_max_, budget_, unsubmitted_, event_count_;
    uint32_t post_mask_, post_head_, more_head_, more_count_;
    int      poll_fd_, wake_fd_, sys_errno_;
    bool     open_, in_callback_, closing_, blocking_files_, no_pwait2_;
    uint32_t post_tail_, sleeping_, wake_, stop_; /* the fields that other threads write */
    dx_reactor_p_ring ring_;
    dx_reactor_p_more more_[DX_REACTOR_P_MORE_COUNT];
    dx_reactor_stats  stats_;
    char refusals_[DX_REACTOR_BACKEND_COUNT][DX_REACTOR_P_TEXT_SIZE];
};

/* >>lifetime ----------------------------------------------------------- */
/* Bytes that desc.memory must have; 0: a field is out of its range. Only the limits are read. */
DX_REACTOR_API size_t dx_reactor_memory_size(const dx_reactor_desc *desc);

/* Prepare *r. EINVAL, ENOMEM (dx_reactor_memory_size()), ENOTSUP (the backend asked for, or every
   backend, was refused: dx_reactor_refusal() says why, also after this failure), ESYS. */
DX_REACTOR_API int dx_reactor_open(dx_reactor *r, const dx_reactor_desc *desc);

/* Cancel what is pending, wait until the kernel has let go of every buffer, deliver each terminal
   completion to op->fn (where it is NULL: drop it; the op is no longer pending), give back the
   system's objects. Operations started meanwhile are refused with ECANCELED. Descriptors of the
   caller stay open, except those that have a pending dx_reactor_close_fd() and accepted ones that
   no fn was there to take. EREENTRY; OK on a reactor that is not open (zeroed or closed). */
DX_REACTOR_API int dx_reactor_close(dx_reactor *r);

/* "io_uring" or "epoll": what this reactor runs on. */
DX_REACTOR_API const char *dx_reactor_backend_name(const dx_reactor *r);

/* Why `backend` was refused when r was opened: "io_uring_setup: ENOSYS". Empty when it was not
   refused or not tried. Text lives in *r, also after a failed open. */
DX_REACTOR_API const char *dx_reactor_refusal(const dx_reactor *r, int backend);

/* What AUTO would take now, found by making one and throwing it away: "io_uring", "epoll" or
   "unsupported". */
DX_REACTOR_API const char *dx_reactor_best_available(void);

/* Whether a kernel release as in uname(2) ("6.1+", "5.10-rc1", "5.15.0-91-generic") has io_uring
   at all: version 5.1 or later. Pure; selection does not rely on it, it tries. */
DX_REACTOR_API bool dx_reactor_kernel_has_io_uring(const char *release);

/* >>consuming ---------------------------------------------------------- */
/* Hand what was started to the kernel without waiting (every wait does this too). Returns how many
   operations were started since the last submit, wait or turn; < 0: EREENTRY or ESYS. Operations
   that found the kernel's queue full are not lost: they follow with the next call. */
DX_REACTOR_API int dx_reactor_submit(dx_reactor *r);

/* Submit, then wait until there is a completion, timeout_ns have passed (0: look, do not wait;
   DX_REACTOR_FOREVER), dx_reactor_wake() or stop() was called or a signal handler ran. Fills up to
   capacity completions and returns how many, 0 included; < 0: EINVAL, EREENTRY, ESYS. */
DX_REACTOR_API int dx_reactor_wait(dx_reactor *r, dx_completion *completions, uint32_t capacity,
                                   int64_t timeout_ns);

/* As dx_reactor_wait(), but goes on waiting until `min` completions are there (at most capacity;
   signals do not end it; a timeout, a wake and a stop do). */
DX_REACTOR_API int dx_reactor_submit_and_wait(dx_reactor *r, dx_completion *completions,
                                              uint32_t capacity, uint32_t min,
                                              int64_t timeout_ns);

/* As dx_reactor_wait(), but delivers by calling op->fn (where it is NULL the completion is
   dropped), at most desc.budget of them. Returns how many were delivered. */
DX_REACTOR_API int dx_reactor_turn(dx_reactor *r, int64_t timeout_ns);

/* Turn until dx_reactor_stop() was called or nothing is pending. OK, EREENTRY, ESYS. */
DX_REACTOR_API int dx_reactor_run(dx_reactor *r);

/* >>operations ---------------------------------------------------------
   Each returns OK: the op is pending, its terminal completion will come. EINVAL: a NULL pointer, a
   size above 2^31-1, an op that is pending already. EAGAIN: desc.pending_max are pending.
   ECANCELED: the reactor is being closed. What the system says about the descriptor comes as
   result: -EBADF (also when a close of it is pending), -ENOTSOCK, ... and -ENOBUFS when
   desc.descriptors_max descriptors are in use. */

/* Take one connection. Result: its descriptor, non-blocking and close-on-exec. */
DX_REACTOR_API int dx_reactor_accept(dx_reactor *r, dx_op *op, int fd);
/* Take connections until cancelled or an error: each comes with DX_REACTOR_F_MORE and a descriptor;
   the terminal completion has a negative result (-EMFILE: free descriptors, then start again). */
DX_REACTOR_API int dx_reactor_accept_multishot(dx_reactor *r, dx_op *op, int fd);

typedef struct dx_reactor_address { /* a socket address; bytes[0..size) as the system has it */
    uint8_t  bytes[128];
    uint32_t size;
} dx_reactor_address;

/* Connect a socket; *address belongs to the reactor until the completion. Result 0. */
DX_REACTOR_API int dx_reactor_connect(dx_reactor *r, dx_op *op, int fd,
                                      const dx_reactor_address *address);
/* Receive what is there, at most `size` bytes. Result: bytes; 0 = the peer's end of data. */
DX_REACTOR_API int dx_reactor_recv(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size);
/* Send all of it. Result: `size`, or an error; dx_reactor_op_transferred() bytes went out then. */
DX_REACTOR_API int dx_reactor_send(dx_reactor *r, dx_op *op, int fd, const void *data,
                                   uint32_t size);
/* After the sends before it: the end of data for the peer; receiving goes on. Result 0. */
DX_REACTOR_API int dx_reactor_shutdown(dx_reactor *r, dx_op *op, int fd);
/* Read at an offset; fewer bytes than `size` only at the end of the file. With
   DX_REACTOR_NO_OFFSET: what a stream has now; 0 = its end. */
DX_REACTOR_API int dx_reactor_read(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size,
                                   uint64_t offset);
/* Write all of it, as dx_reactor_send(). Pipes raise SIGPIPE as write(2) does. */
DX_REACTOR_API int dx_reactor_write(dx_reactor *r, dx_op *op, int fd, const void *data,
                                    uint32_t size, uint64_t offset);
/* Make a file's data durable (data_only: as fdatasync). Does not wait for pending writes. */
DX_REACTOR_API int dx_reactor_fsync(dx_reactor *r, dx_op *op, int fd, bool data_only);
/* Wait until a descriptor that others read and write is READABLE or WRITABLE (either: the bits of
   `interest`). Result: what it is, in the same bits. */
DX_REACTOR_API int dx_reactor_poll(dx_reactor *r, dx_op *op, int fd, uint32_t interest);
/* Cancel what is pending on fd, wait for those terminal completions to be queued, close fd. Result
   0 or close(2)'s error. Operations started on fd meanwhile end with -EBADF. */
DX_REACTOR_API int dx_reactor_close_fd(dx_reactor *r, dx_op *op, int fd);
/* Result 0 after delay_ns of the monotonic clock, never earlier. Equal times: in order of start. */
DX_REACTOR_API int dx_reactor_timer(dx_reactor *r, dx_op *op, uint64_t delay_ns);
/* Limit a pending accept (one-shot), connect, recv, send, stream read or write, poll or receive:
   after delay_ns it is cancelled and ends with -ETIMEDOUT in place of -ECANCELED. `op` is an
   operation of its own; result 0: it struck, -ECANCELED: the target ended first. One per target;
   EINVAL for other targets, ENOTFOUND when the target is not pending any more. */
DX_REACTOR_API int dx_reactor_deadline(dx_reactor *r, dx_op *op, dx_op *target, uint64_t delay_ns);
/* Take up to `count` messages that dx_reactor_post() sent. Result: how many are in messages[]. */
DX_REACTOR_API int dx_reactor_receive(dx_reactor *r, dx_op *op, dx_reactor_message *messages,
                                      uint32_t count);

/* >>control ------------------------------------------------------------ */
/* Ask that a pending op ends. OK: it will, with -ECANCELED or, where that came first, its real
   result. ENOTFOUND: it is not pending. EALREADY: its terminal completion is queued. Asking twice
   is harmless. The op must have been started on this reactor, or never. */
DX_REACTOR_API int dx_reactor_cancel(dx_reactor *r, dx_op *op);

/* Before close(2) of a descriptor that operations were started on and that dx_reactor_close_fd()
   does not close: drop what is known of it. EAGAIN: operations on it are pending. */
DX_REACTOR_API int dx_reactor_forget(dx_reactor *r, int fd);

/* The monotonic clock, in ns, as it was when the last wait or turn returned from the kernel. */
DX_REACTOR_API uint64_t dx_reactor_now_ns(const dx_reactor *r);
/* The same, read now. */
DX_REACTOR_API uint64_t dx_reactor_refresh_now_ns(dx_reactor *r);

/* Operations that are pending. */
DX_REACTOR_API uint32_t dx_reactor_pending(const dx_reactor *r);
/* errno of the last call that returned ESYS or ENOTSUP. */
DX_REACTOR_API int      dx_reactor_sys_errno(const dx_reactor *r);
DX_REACTOR_API void     dx_reactor_get_stats(const dx_reactor *r, dx_reactor_stats *stats);

/* >>threads ------------------------------------------------------------
   These three may be called from any thread while the reactor is open. */

/* Queue *message for dx_reactor_receive(). Messages of one thread arrive in their order. EAGAIN:
   desc.posts_max are undelivered. Async-signal-safe. */
DX_REACTOR_API int  dx_reactor_post(dx_reactor *r, const dx_reactor_message *message);
/* Make the wait or turn that is running, or else the next one, return. Async-signal-safe. */
DX_REACTOR_API void dx_reactor_wake(dx_reactor *r);
/* Make dx_reactor_run() return (a run that starts later too, once). Async-signal-safe. */
DX_REACTOR_API void dx_reactor_stop(dx_reactor *r);

/* >>sockets ------------------------------------------------------------
   Synchronous helpers. r may be NULL; it only keeps the errno of an ESYS. Every socket is
   non-blocking and close-on-exec. */

/* "127.0.0.1:7000", "[::1]:7000": numeric only, nothing is looked up. EINVAL. */
DX_REACTOR_API int dx_reactor_address_parse(dx_reactor_address *address, const char *text);
/* The inverse, with a zero byte at the end; 56 bytes are always enough. EINVAL, ENOSPACE. */
DX_REACTOR_API int dx_reactor_address_format(const dx_reactor_address *address, char *text,
                                             size_t capacity);
/* 0 when it is no IPv4 or IPv6 address. */
DX_REACTOR_API uint16_t dx_reactor_address_port(const dx_reactor_address *address);

#define DX_REACTOR_REUSEPORT 1u /* listen: several sockets share the port, one per reactor */
#define DX_REACTOR_V6ONLY    2u /* listen: an IPv6 address takes no IPv4 connections */
#define DX_REACTOR_NODELAY   4u /* connect, accept: send small pieces at once */

/* A listening socket (SO_REUSEADDR) in *fd. flags: REUSEPORT, V6ONLY, NODELAY (accepted sockets
   inherit it). backlog 0 = 1024. *bound (may be NULL) receives the address with the port that the
   system chose for port 0. EINVAL, ESYS. */
DX_REACTOR_API int dx_reactor_listen_tcp(dx_reactor *r, const dx_reactor_address *address,
                                         uint32_t flags, int backlog, int *fd,
                                         dx_reactor_address *bound);
/* A socket that dx_reactor_connect() may connect to *address. flags: NODELAY. EINVAL, ESYS. */
DX_REACTOR_API int dx_reactor_socket_tcp(dx_reactor *r, const dx_reactor_address *address,
                                         uint32_t flags, int *fd);

/* >>results ------------------------------------------------------------ */
DX_REACTOR_API bool     dx_reactor_is_success(const dx_completion *c);
DX_REACTOR_API bool     dx_reactor_is_error(const dx_completion *c);
/* The bytes of a success, else 0. */
DX_REACTOR_API uint32_t dx_reactor_bytes(const dx_completion *c);
/* The positive errno of an error, else 0. Defined for every result, INT32_MIN included. */
DX_REACTOR_API uint32_t dx_reactor_errno(const dx_completion *c);

#ifdef __cplusplus
}
#endif
#endif /* DX_REACTOR_H */
