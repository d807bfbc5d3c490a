/*  dx_reactor.h - v0.3.0 - completion-based event loop: io_uring, epoll, kqueue, IOCP behind one
                            interface - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_REACTOR_IMPLEMENTATION     (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_reactor.h"

    and include it elsewhere without the define. C99; also builds as C++11. GCC and clang on Linux,
    macOS, the BSDs and Windows (-lws2_32); MSVC for x86, x64 and ARM64. No other library, no
    feature macro, no <linux/io_uring.h>; of MSVC no /std:c11.

    QUICK EXAMPLE

        static uint64_t memory[16384];                   // 128 KiB; dx_reactor_memory_size() says
        dx_reactor r;                                    // how much a descriptor needs
        dx_reactor_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;

        dx_op tick;
        memset(&tick, 0, sizeof tick);
        tick.user_data = 42;
        dx_reactor_timer(&r, &tick, 1000000);            // in one millisecond ...
        dx_completion done;
        int count = dx_reactor_wait(&r, &done, 1, DX_REACTOR_FOREVER);
        printf("%s: %d completion, user_data %d, result %d\n", dx_reactor_backend_name(&r), count,
               (int)done.user_data, (int)done.result);
        if (dx_reactor_close(&r) != DX_REACTOR_OK || count != 1 || done.user_data != 42) return 1;

    CONTENTS (search >>)
        config  errors  op  descriptor  lifetime  consuming  operations  control  threads
        sockets  tasks  workers  results  extension  platform  atomics  helpers  memory  table
        queues  timers  pool  finish  io_uring  readiness  files  epoll  kqueue  IOCP  backends
        start  posts  round  public  extensions  groups  license

    HOW IT WORKS
        The caller owns every dx_op (64 bytes; 128 on Windows), sets fn and user_data, and starts it
        with dx_reactor_recv(), dx_reactor_timer() and so on. Each started operation ends with
        exactly one terminal completion. It is delivered by one of these, never inside the start:

            dx_reactor_run(r), dx_reactor_run_once(r, timeout) call op->fn(r, op, result, flags)
            dx_reactor_wait(r, completions, capacity, timeout) fills an array of
            dx_reactor_submit_and_wait(...)                    {user_data, result, flags}

        A result >= 0 is a number of bytes, a descriptor or 0; a negative one is -errno, the same
        on every backend. Operations on the same side of a descriptor (accept, recv and read; or
        connect, send, write and shutdown) run one at a time, in the order of their start.

    GUARANTEES  No allocation, no globals, no printing. The only threads are those of groups and,
                where the system has no asynchronous files, desc.file_threads. Only wait, run_once,
                run and close block. Its descriptors do not survive exec. Sockets never raise
                SIGPIPE. docs/reactor.md lists the semantics that hold on every backend.
    LIMITS      desc.pending_max operations and desc.descriptors_max descriptors at a time; 2^31-1
                bytes an operation; one thread uses and closes a reactor, not necessarily the one
                that opened it (any thread may call post, wake and stop).
    CONFIG      DX_REACTOR_STATIC, DX_REACTOR_API, DX_REACTOR_ASSERT(c), DX_REACTOR_MEMCPY,
                DX_REACTOR_MEMSET; DX_REACTOR_FILE_THREADS: upper limit of desc.file_threads, 64 by
                default, 0 leaves that code out
    ERRORS      dx_reactor_error: 0 = ok, negative = reason; results of operations are -errno
    OWNERSHIP   An operation and the buffer it names belong to the reactor from the start to the
                terminal completion. desc.memory is borrowed until dx_reactor_close().
*/
#ifndef DX_REACTOR_H
#define DX_REACTOR_H

#define DX_REACTOR_VERSION 0x000300 /* 0xMMmmpp */

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

#ifndef DX_REACTOR_FILE_THREADS
  #define DX_REACTOR_FILE_THREADS 64
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_REACTOR_ERRORS(X)                                                                       \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its documented contract */                            \
    X(-2, ENOMEM)      /* desc.memory is missing or too small */                                   \
    X(-3, ENOSPACE)    /* the output buffer is full */                                             \
    X(-4, ETOOBIG)     /* above a limit */                                                         \
    X(-5, ECORRUPT)    /* never returned here */                                                   \
    X(-6, EAGAIN)      /* full at the moment: consume completions, then try again */               \
    X(-7, ESYS)        /* the system refused: dx_reactor_sys_errno() */                            \
    X(-8, ENOTSUP)     /* the backend that was asked for is not available */                       \
    X(-9, ENOTFOUND)   /* the operation is not pending */                                          \
    X(-10, ECANCELED)  /* the reactor is being closed */                                           \
    X(-11, ETRUNCATED) /* never returned here */                                                   \
    X(-12, EVERSION)   /* never returned here */                                                   \
    X(-32, EALREADY)   /* too late to cancel: the completion is queued */                          \
    X(-33, EREENTRY)   /* called from inside an operation's function */

typedef enum dx_reactor_error {
#define DX_REACTOR_P_ENUM(value, name) DX_REACTOR_##name = (value),
    DX_REACTOR_ERRORS(DX_REACTOR_P_ENUM)
#undef DX_REACTOR_P_ENUM
} dx_reactor_error;

/* "DX_REACTOR_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_REACTOR_API const char *dx_reactor_error_name(int error);

/* >>op ----------------------------------------------------------------- */
#define DX_REACTOR_FOREVER   ((int64_t)-1)
#define DX_REACTOR_NO_OFFSET UINT64_MAX /* read and write: a pipe, a terminal or another stream */

typedef struct dx_reactor dx_reactor;
typedef struct dx_op dx_op;

/* Called by dx_reactor_run_once() with a completion. It may start operations (the same op too,
   unless flags has DX_REACTOR_F_MORE) and cancel them; it must not wait, run or close the reactor.
   After a terminal completion the reactor does not touch *op again: its memory may be freed
   here. */
typedef void dx_op_fn(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);

/* Flags of a completion. MORE: further completions of this operation follow; without it, the
   completion is the terminal one. BUFFER: the bytes are in the pool, see dx_reactor_buffer().
   UNCOPIED, of dx_reactor_send_zero_copy(): the kernel sent without a copy. */
#define DX_REACTOR_F_MORE     1u
#define DX_REACTOR_F_BUFFER   2u
#define DX_REACTOR_F_UNCOPIED 4u

/* Readiness, for dx_reactor_poll() and its result. ERROR and HUP are always reported. */
#define DX_REACTOR_READABLE 1u
#define DX_REACTOR_WRITABLE 2u
#define DX_REACTOR_ERROR    4u
#define DX_REACTOR_HUP      8u

/* One operation. Zero it before its first use. After its terminal completion the same op can be
   started again. Do not move or change it while it is pending. */
struct dx_op {
    uint64_t  user_data; /* for the caller; returned in dx_completion */
    dx_op_fn *fn;        /* for the caller; NULL if only dx_reactor_wait() is used */
    dx_op    *next_;     /* links of the one list that it is in: a descriptor's, a wheel */
    dx_op    *prev_;     /* slot's, or the list of completed operations */
    void     *buffer_;   /* bytes, address or datagram; other uses depend on kind_ */
    uint64_t  offset_;   /* file offset; a timer's time; the dx_op of its deadline; */
    union {              /* once completed: the result, see dx_reactor_p_queue() */
        struct {
            uint32_t size;
            uint32_t done; /* of size, moved up to now */
        } bytes;
        dx_op *target;   /* of a deadline */
    } u_;
    int32_t  fd_;        /* of timers and deadlines: the slot in the wheel */
    uint8_t  kind_;      /* DX_REACTOR_P_ACCEPT ... DX_REACTOR_P_RECEIVE */
    uint8_t  state_;     /* DX_REACTOR_P_IDLE ... DX_REACTOR_P_DONE */
    uint16_t flags_;     /* DX_REACTOR_P_F_ */
#if defined(_WIN32)
    uint64_t system_[8]; /* OVERLAPPED, and the arguments of a poll */
#endif
};

typedef struct dx_completion { /* 16 bytes */
    uint64_t user_data; /* of the operation */
    int32_t  result;    /* >= 0: bytes, descriptor or 0; < 0: -errno */
    uint32_t flags;     /* DX_REACTOR_F_ */
} dx_completion;

/* Zero *op, set fn, and set user_data to the pointer. Not while op is pending. */
DX_REACTOR_API void     dx_reactor_op_init(dx_op *op, dx_op_fn *fn, void *user);
/* user_data as the pointer given to dx_reactor_op_init(). */
DX_REACTOR_API void    *dx_reactor_op_user(const dx_op *op);
/* True from the start until the terminal completion is delivered. */
DX_REACTOR_API bool     dx_reactor_op_pending(const dx_op *op);
/* Bytes that a send, read or write moved, including one that ended with an error. */
DX_REACTOR_API uint32_t dx_reactor_op_transferred(const dx_op *op);

/* >>descriptor --------------------------------------------------------- */
typedef enum dx_reactor_backend {
    DX_REACTOR_BACKEND_AUTO     = 0, /* the first in this list that the system allows */
    DX_REACTOR_BACKEND_IO_URING = 1,
    DX_REACTOR_BACKEND_EPOLL    = 2,
    DX_REACTOR_BACKEND_KQUEUE   = 3, /* macOS, BSD */
    DX_REACTOR_BACKEND_IOCP     = 4, /* Windows */
    DX_REACTOR_BACKEND_SIMULATED = 5 /* desc.simulator; never chosen by AUTO */
} dx_reactor_backend;

enum { DX_REACTOR_BACKEND_COUNT = 6 };

/* A simulated system, for tests: tests/dx_reactor_sim.h creates one. */
typedef struct dx_reactor_simulator {
    const struct dx_reactor_p_backend *backend_;
} dx_reactor_simulator;

#define DX_REACTOR_NO_THREADS UINT32_MAX /* desc.file_threads */

typedef struct dx_reactor_desc {
    void    *memory;          /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size;     /* bytes; at least dx_reactor_memory_size() */
    int      backend;         /* dx_reactor_backend; a specific one is used, or ENOTSUP */
    uint32_t pending_max;     /* operations at a time, not counting closes; 0 = 16384 */
    uint32_t descriptors_max; /* in use at a time: from the first operation on a descriptor until it
                                 is closed or forgotten; 0 = 1024; at most 2^24 */
    uint32_t posts_max;       /* undelivered messages; 0 = 256; rounded up to a power of two */
    uint32_t queue_entries;   /* io_uring submission queue; 0 = 256; the kernel may clamp it */
    uint32_t completion_entries; /* io_uring completion queue; 0 = four times queue_entries */
    uint32_t sqpoll_idle_ms;  /* io_uring: a kernel thread polls for submissions (SQPOLL) and sleeps
                                 after this idle time; 0 = no SQPOLL. Costs a CPU while it polls */
    uint32_t budget;          /* completions that one dx_reactor_run_once() delivers; 0 = 256 */
    uint32_t buffer_count;    /* in the pool for dx_reactor_recv_multishot(); 0 = none; rounded up
                                 to a power of two; at most 32768 */
    uint32_t buffer_size;     /* bytes of each buffer; 0 = 4096; a multiple of 8; at most 2^24 */
    uint32_t buffers_per_op;  /* buffers that one operation may hold before it pauses; 0 = a quarter
                                 of the pool. io_uring may exceed it until the kernel has stopped */
    uint32_t spin_ns;         /* a wait polls for this long, keeping the CPU busy, before
                                 it sleeps; 0 = no polling */
    uint32_t file_threads;    /* on systems without asynchronous files (epoll, kqueue; IOCP: fsync):
                                 threads that read, write and sync files, created on demand; 0 = 4;
                                 at most 64; DX_REACTOR_NO_THREADS: such operations end with
                                 -ENOTSUP. The loop never blocks on a file */
    dx_reactor_simulator *simulator; /* of DX_REACTOR_BACKEND_SIMULATED; borrowed until close */
} dx_reactor_desc;

typedef struct dx_reactor_stats { /* since dx_reactor_open() */
    uint64_t started;      /* operations */
    uint64_t completed;    /* terminal completions delivered */
    uint64_t system_waits; /* io_uring_enter, epoll_wait */
    uint64_t stale_events; /* dropped: the descriptor was closed before they arrived */
    uint64_t overflows;    /* overflows of the kernel's completion queue */
} dx_reactor_stats;

typedef struct dx_reactor_message { /* content is the caller's, say a kind and two arguments */
    uint64_t words[3];
} dx_reactor_message;

struct dx_reactor_p_fd;
struct dx_reactor_p_cell;
struct dx_reactor_p_backend;
struct dx_reactor_p_files;
typedef struct dx_reactor_p_more { /* a queued completion with F_MORE */
    dx_op   *op;
    int32_t  result;
    uint32_t flags;
} dx_reactor_p_more;

typedef struct dx_reactor_p_ring { /* the io_uring backend: see the picture in >>io_uring */
    void     *map;         /* both rings, shared with the kernel */
    size_t    map_size;    /* 0: nothing is mapped */
    void     *entries;     /* submission entries, 64 bytes each */
    size_t    entries_size;
    uint32_t *sq_head;     /* by the kernel: entries before it are consumed */
    uint32_t *sq_tail;     /* by us: entries before it are submitted */
    uint32_t *sq_flags;    /* by the kernel: DX_REACTOR_P_SQ_ */
    uint32_t *sq_array;    /* maps places to entries; the identity here */
    uint32_t *cq_head;     /* by us: completions before it are consumed */
    uint32_t *cq_tail;     /* by the kernel: completions before it are ready */
    uint8_t  *cq_entries;
    uint32_t  sq_mask;
    uint32_t  sq_count;    /* entries */
    uint32_t  cq_mask;
    uint32_t  tail;        /* entries before it are filled; enter publishes it as *sq_tail */
    uint32_t  features;    /* DX_REACTOR_P_FEAT_ */
    uint32_t  setup_flags; /* DX_REACTOR_P_SETUP_ that the kernel accepted */
    uint32_t  sqpoll_idle_ms;
    uint32_t  wake_armed;  /* polls of the wake descriptor in flight */
    int32_t   seekable;    /* descriptor + 1 of the last one found seekable; 0: none */
    bool      disabled;    /* until first use: the thread that uses it first owns it */
    bool      no_multishot; /* no multishot accept: kernel before 5.19 */
    bool      zero_copy;   /* zero-copy send is known: kernel 6.0 or later */
    bool      no_reports;  /* before 6.2 a send does not report whether it copied */
    bool      pooled;      /* the kernel picks buffers from the pool itself */
    uint16_t  pool_tail;   /* buffers put into the ring of the pool since open */
} dx_reactor_p_ring;

enum {
    DX_REACTOR_P_MORE_COUNT = 64, /* queued completions with F_MORE */
    DX_REACTOR_P_TEXT_SIZE  = 64, /* bytes of a refusal */
    DX_REACTOR_P_LEVELS     = 11, /* of the wheel: one for 6 bits of a time */
    DX_REACTOR_P_SLOTS      = 64  /* per level */
};

struct dx_reactor { /* caller-allocated; every field is private; do not move it while open */
    const struct dx_reactor_p_backend *backend_;
    dx_reactor_simulator     *simulator_;

    /* Parts of desc.memory. */
    struct dx_reactor_p_fd   *fds_;     /* state of descriptors: >>table */
    uint32_t                 *buckets_; /* hash buckets: descriptor to index in fds_ */
    struct dx_reactor_p_cell *cells_;   /* messages: >>posts */
    void                     *events_;  /* filled by the backend's wait */
    struct dx_reactor_p_files *files_;  /* NULL: desc.file_threads is DX_REACTOR_NO_THREADS */

    /* Operations that are in no descriptor's list. */
    dx_op   *done_;                     /* completed, not delivered */
    dx_op   *receivers_;                /* waiting for messages */
    uint64_t timer_base_;               /* time the wheel has reached: >>timers */
    uint64_t timer_used_[DX_REACTOR_P_LEVELS]; /* a bit for each slot that is not empty */
    dx_op   *timers_[DX_REACTOR_P_SLOTS * DX_REACTOR_P_LEVELS];

    /* The pool of recv_multishot: >>pool. */
    uint8_t  *pool_ring_;               /* io_uring: shared with the kernel, which picks buffers */
    uint8_t  *pool_;                    /* the buffers */
    dx_op   **holders_;                 /* for each buffer: the operation that filled it */
    uint16_t *spare_;                   /* stack of free buffers; io_uring: see returned_ */
    dx_op    *parked_first_;            /* operations that wait for a buffer */
    dx_op    *parked_last_;
    uint32_t  buffers_;                 /* total number */
    uint32_t  buffer_size_;
    uint32_t  buffers_per_op_;
    uint32_t  held_;                    /* buffers held by the caller, or returned_ */
    uint32_t  pool_holds_;              /* dx_reactor_ext_pool_hold() */
    uint32_t  returned_;                /* io_uring: buffers in spare_ that wait for its end */

    uint64_t now_;                      /* dx_reactor_now_ns() */
    uint32_t bucket_mask_;
    uint32_t fd_free_;                  /* heads of lists in fds_: free entries, */
    uint32_t fd_retry_;                 /* entries to retry in the next round, */
    uint32_t fd_retry_file_;            /* entries that wait for a free file thread */
    bool     retry_file_due_;           /* a thread may be free: retry those, too */
    uint16_t generation_;               /* last generation assigned */
    uint32_t pending_;                  /* started and not delivered */
    uint32_t pending_max_;
    uint32_t budget_;
    uint32_t spin_ns_;
    uint64_t submitted_;                /* stats.started at the last submit */
    uint32_t changes_;                  /* kqueue: changes collected for the next wait */
    uint32_t waiting_count_;            /* operations in DX_REACTOR_P_WAITING */
    uint64_t batch_wait_ns_;            /* io_uring: timeout of a wait for several completions */
    uint32_t closes_pending_;           /* closes in pending_; pending_max_ excludes them */
    uint32_t closes_queued_;            /* terminal completions of closes in done_ */
    uint32_t post_mask_;
    uint32_t post_head_;                /* messages consumed */
    uint32_t more_head_;                /* completions with F_MORE delivered, */
    uint32_t more_count_;               /* and queued in more_ */
    int      poll_fd_;                  /* ring, epoll, kqueue, port; -1: none */
    int      wake_fd_;                  /* eventfd; -1: none */
    int      sys_errno_;
    int      trying_;                   /* backend being opened */
    bool     open_;
    bool     in_callback_;
    bool     closing_;                  /* dx_reactor_close() has begun */
    bool     no_pwait2_;                /* epoll_pwait2() is missing */
    bool     done_first_;               /* a completion with F_MORE was delivered
                                           last: a terminal one is next */
    bool     timers_left_;              /* more timers are due than one batch fired */
    bool     flush_due_;                /* an extension asked to be flushed */
    struct dx_reactor_extension *extensions_; /* linked list */

    /* Fields that other threads write have cache lines of their own. */
    uint8_t  pad1_[64];
    uint32_t post_tail_;                /* messages posted, or being posted */
    uint8_t  pad2_[64];
    uint32_t sleeping_;                 /* 1: the loop sleeps or is about to, and needs a wake */
    uint32_t wake_;                     /* bit 0: return from the wait, bit 1: from the run */
    dx_op   *files_done_;               /* stack of operations completed by file threads */
    uint8_t  pad3_[64];

    dx_reactor_p_ring ring_;
    dx_reactor_p_more more_[DX_REACTOR_P_MORE_COUNT]; /* a ring */
    dx_reactor_stats  stats_;           /* `started` is computed on demand */
    char refusals_[DX_REACTOR_BACKEND_COUNT][DX_REACTOR_P_TEXT_SIZE];
};

/* >>lifetime ----------------------------------------------------------- */
/* Bytes that desc.memory needs; 0: a field is out of its range. Reads only the limits. */
DX_REACTOR_API size_t dx_reactor_memory_size(const dx_reactor_desc *desc);

/* Prepare *r. EINVAL; ENOMEM: see dx_reactor_memory_size(); ENOTSUP: the requested backend, or
   every backend, was refused, and dx_reactor_refusal() says why; ESYS. */
DX_REACTOR_API int dx_reactor_open(dx_reactor *r, const dx_reactor_desc *desc);

/* Cancel every pending operation, wait until the kernel has released every buffer, deliver each
   terminal completion to op->fn (without fn, the op just stops being pending), and release the
   system's objects. During this only dx_reactor_close_fd() can be started; other starts return
   ECANCELED. The caller's descriptors stay open, except those with a pending dx_reactor_close_fd()
   and accepted ones whose op has no fn to receive them. EREENTRY; OK if the reactor is not open
   (zeroed or closed). */
DX_REACTOR_API int dx_reactor_close(dx_reactor *r);

/* Name of the backend in use: "io_uring", "epoll", "kqueue", "iocp" or "simulated". */
DX_REACTOR_API const char *dx_reactor_backend_name(const dx_reactor *r);

/* Why `backend` was refused when r was opened, for example "io_uring_setup: ENOSYS"; empty if it
   was not refused or not tried. The text is part of *r, also after a failed open. */
DX_REACTOR_API const char *dx_reactor_refusal(const dx_reactor *r, int backend);

/* The backend that AUTO would choose now, found by opening and closing one: its name, or
   "unsupported". */
DX_REACTOR_API const char *dx_reactor_best_available(void);

/* Does a kernel of this uname(2) release ("6.1+", "5.10-rc1", "5.15.0-91-generic") have io_uring at
   all (5.1 or later)? A pure function; backend selection probes instead. */
DX_REACTOR_API bool dx_reactor_kernel_has_io_uring(const char *release);

/* >>consuming ---------------------------------------------------------- */
/* Submit started operations to the kernel without waiting (every wait does this too). Returns how
   many were started since the last submit or wait; < 0: EINVAL, ESYS. If the kernel's queue is
   full, the next call submits the rest. */
DX_REACTOR_API int dx_reactor_submit(dx_reactor *r);

/* Submit, then wait until there is a completion, until timeout_ns have passed (0 polls,
   DX_REACTOR_FOREVER waits forever), dx_reactor_wake() or dx_reactor_stop() is called, or a signal
   arrives. Fills in up to `capacity` completions and returns how many, possibly 0; < 0: EINVAL,
   EREENTRY, ESYS. */
DX_REACTOR_API int dx_reactor_wait(dx_reactor *r, dx_completion *completions, uint32_t capacity,
                                   int64_t timeout_ns);

/* Like dx_reactor_wait(), but waits until there are `min` completions (at most `capacity`). Signals
   do not end the wait; a timeout, a wake and a stop do. */
DX_REACTOR_API int dx_reactor_submit_and_wait(dx_reactor *r, dx_completion *completions,
                                              uint32_t capacity, uint32_t min,
                                              int64_t timeout_ns);

/* Like dx_reactor_wait(), but delivers up to desc.budget completions by calling op->fn (without fn,
   a completion is dropped). Returns how many were delivered. */
DX_REACTOR_API int dx_reactor_run_once(dx_reactor *r, int64_t timeout_ns);

/* Call dx_reactor_run_once() until dx_reactor_stop() is called or nothing is pending. OK, EREENTRY,
   ESYS. */
DX_REACTOR_API int dx_reactor_run(dx_reactor *r);

/* >>operations ---------------------------------------------------------
   Each returns OK: the op is pending, and its terminal completion will be delivered. EINVAL: a NULL
   pointer, a size above 2^31-1, a recv or read of no bytes, or an op that is already pending.
   EAGAIN: desc.pending_max operations are pending. ECANCELED: the reactor is being closed. Errors
   of the descriptor are results: -EBADF (also while a close of it is pending), -ENOTSOCK, ..., and
   -ENOBUFS if desc.descriptors_max others are in use. */

/* Accept one connection. Result: its descriptor, non-blocking and close-on-exec. */
DX_REACTOR_API int dx_reactor_accept(dx_reactor *r, dx_op *op, int fd);
/* Accept connections until canceled or an error. Each completion has DX_REACTOR_F_MORE and a
   descriptor; the terminal one has a negative result (-EMFILE: free descriptors, then start
   again). */
DX_REACTOR_API int dx_reactor_accept_multishot(dx_reactor *r, dx_op *op, int fd);

typedef struct dx_reactor_address { /* a socket address; bytes[0..size) in the system's format */
    uint8_t  bytes[128];
    uint32_t size;
} dx_reactor_address;

/* Connect a socket; *address belongs to the reactor until the completion. Result 0. */
DX_REACTOR_API int dx_reactor_connect(dx_reactor *r, dx_op *op, int fd,
                                      const dx_reactor_address *address);
/* Receive at most `size` bytes, as soon as any are available. Result: bytes; 0 = end of data. */
DX_REACTOR_API int dx_reactor_recv(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size);
/* Receive into the reactor's pool until canceled, the end of data or an error. Each piece has
   F_MORE and F_BUFFER; its bytes are at dx_reactor_buffer(r, flags) and belong to the caller until
   dx_reactor_return_buffer(). Back-pressure: while the pool is empty, or this operation holds
   desc.buffers_per_op buffers, it pauses until buffers are returned; nothing is lost, and no
   completion reports it. Terminal result: 0 = end of data, or an error. EINVAL: also without a
   pool. */
DX_REACTOR_API int   dx_reactor_recv_multishot(dx_reactor *r, dx_op *op, int fd);
/* The buffer of a completion, by its flags; NULL: it has none. */
DX_REACTOR_API void *dx_reactor_buffer(const dx_reactor *r, uint32_t flags);
/* Return a buffer, possibly after its operation has ended. EINVAL: the caller does not hold it. */
DX_REACTOR_API int   dx_reactor_return_buffer(dx_reactor *r, uint32_t flags);
/* Send all bytes. Result: `size`, or an error; then dx_reactor_op_transferred() bytes were sent. */
DX_REACTOR_API int dx_reactor_send(dx_reactor *r, dx_op *op, int fd, const void *data,
                                   uint32_t size);
/* The same without a copy if the system can (io_uring, Linux 6.2 or later), else a plain send.
   Completes once, when the data is sent and the kernel has released the buffer; on TCP that is when
   the peer has acknowledged it. Pays from about 10 KB on, but not over loopback, which copies.
   While the kernel holds the buffer, a cancel, a deadline or a close resets the connection:
   otherwise a peer that does not read could hold the buffer forever. */
DX_REACTOR_API int dx_reactor_send_zero_copy(dx_reactor *r, dx_op *op, int fd, const void *data,
                                             uint32_t size);
/* One datagram. It belongs to the reactor from the start to the completion. */
typedef struct dx_reactor_datagram {
    void              *data;
    uint32_t           size;    /* bytes at data */
    dx_reactor_address address; /* the sender's, or the receiver's; size 0: the connected peer */
    uint32_t           segment; /* received: several datagrams were joined, each of this many bytes
                                   except the last (UDP_GRO of Linux, enabled by setsockopt); 0: one
                                   datagram */
    uint64_t           system_[16];
} dx_reactor_datagram;

/* Result: bytes, possibly 0; -EMSGSIZE: the datagram was longer than d->size and was truncated. On
   a socket with UDP_GRO the system joins datagrams: see d->segment. */
DX_REACTOR_API int dx_reactor_recvfrom(dx_reactor *r, dx_op *op, int fd, dx_reactor_datagram *d);
/* Result: d->size, or an error and nothing was sent. */
DX_REACTOR_API int dx_reactor_sendto(dx_reactor *r, dx_op *op, int fd, dx_reactor_datagram *d);
/* Half-close: send the end of data after all sends started before.
   Receiving still works. Result 0. */
DX_REACTOR_API int dx_reactor_shutdown(dx_reactor *r, dx_op *op, int fd);
/* Read at an offset. Result: less than `size` only at the end of the file; -ESPIPE: a stream. With
   DX_REACTOR_NO_OFFSET: what a stream has available; 0 = its end. */
DX_REACTOR_API int dx_reactor_read(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size,
                                   uint64_t offset);
/* Write all bytes, as dx_reactor_send(). Pipes raise SIGPIPE as write(2) does. A descriptor that
   can never be written (or read) fails at once: -EINVAL for the wrong kind, such as a timerfd,
   -EBADF if not opened for it. Exception: on io_uring the kernel waits for an event of an epoll
   descriptor before it refuses. */
DX_REACTOR_API int dx_reactor_write(dx_reactor *r, dx_op *op, int fd, const void *data,
                                    uint32_t size, uint64_t offset);
/* Make a file's data durable (data_only: as fdatasync). Does not wait for pending writes. */
DX_REACTOR_API int dx_reactor_fsync(dx_reactor *r, dx_op *op, int fd, bool data_only);
/* Wait until a descriptor is READABLE or WRITABLE, as selected by `interest`; other code reads and
   writes it. Result: its state in the same bits, at least one. */
DX_REACTOR_API int dx_reactor_poll(dx_reactor *r, dx_op *op, int fd, uint32_t interest);
/* Cancel the pending operations on fd, wait until they have ended, then close fd. Result: 0 or the
   error of close(2). Operations started on fd in between end with -EBADF. */
DX_REACTOR_API int dx_reactor_close_fd(dx_reactor *r, dx_op *op, int fd);
/* Result 0 after delay_ns of the monotonic clock, never earlier. Timers of equal time fire in
   the order of their start. */
DX_REACTOR_API int dx_reactor_timer(dx_reactor *r, dx_op *op, uint64_t delay_ns);
/* The same at deadline_ns, a time of the clock dx_reactor_now_ns(). Does not read the clock. A time
   in the past fires at once. */
DX_REACTOR_API int dx_reactor_timer_at(dx_reactor *r, dx_op *op, uint64_t deadline_ns);
/* Move a pending timer or deadline to deadline_ns of the same clock. A later time costs a compare
   and a store, so a timeout can be pushed back with every message. Among equal times it fires last.
   ENOTFOUND. */
DX_REACTOR_API int dx_reactor_timer_move(dx_reactor *r, dx_op *op, uint64_t deadline_ns);
/* Limit a pending accept (one-shot), connect, recv, send, stream read or write, poll or receive:
   after timeout_ns it is canceled and ends with -ETIMEDOUT instead of -ECANCELED. `op` is an
   operation of its own and ends right after its target, with 0 if the target timed out, otherwise
   with -ECANCELED. One per target; EINVAL for other targets, ENOTFOUND if the target is not
   pending. */
DX_REACTOR_API int dx_reactor_deadline(dx_reactor *r, dx_op *op, dx_op *target,
                                       uint64_t timeout_ns);
/* Receive up to `count` messages of dx_reactor_post(). Result: how many are in messages[]. */
DX_REACTOR_API int dx_reactor_receive(dx_reactor *r, dx_op *op, dx_reactor_message *messages,
                                      uint32_t count);

/* >>control ------------------------------------------------------------ */
/* Ask a pending op to end. OK: it ends with -ECANCELED or with its real result, whichever comes
   first. ENOTFOUND: it is not pending. EALREADY: its terminal completion is queued. A second cancel
   has no effect. The op must have been started on this reactor, or never. */
DX_REACTOR_API int dx_reactor_cancel(dx_reactor *r, dx_op *op);

/* Tell the reactor before close(2) of a descriptor that operations were started on (not needed with
   dx_reactor_close_fd()): it drops its state, and the slot in desc.descriptors_max. EAGAIN:
   operations on it are pending. */
DX_REACTOR_API int dx_reactor_forget(dx_reactor *r, int fd);

/* The monotonic clock in ns, as read when the last wait returned from the kernel. */
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

/* Queue *message for dx_reactor_receive(). Messages of one thread arrive in order. EAGAIN:
   desc.posts_max are undelivered. Async-signal-safe. */
DX_REACTOR_API int  dx_reactor_post(dx_reactor *r, const dx_reactor_message *message);
/* Make the current wait return, or the next one. Async-signal-safe. */
DX_REACTOR_API void dx_reactor_wake(dx_reactor *r);
/* Make the current dx_reactor_run() return, or the next one. Async-signal-safe. */
DX_REACTOR_API void dx_reactor_stop(dx_reactor *r);

/* >>sockets ------------------------------------------------------------
   Synchronous helpers. r may be NULL; it only stores the errno of an ESYS. Every socket is
   non-blocking and close-on-exec. */

/* Parse "127.0.0.1:7000" or "[::1]:7000" (numeric, no name lookup), "unix:/run/x.sock" (a socket
   file) or "unix:@x" (Linux: an abstract name without a file). No unix addresses on Windows.
   EINVAL. */
DX_REACTOR_API int dx_reactor_address_parse(dx_reactor_address *address, const char *text);
/* Bytes for the text of any address, with the terminating zero; IP addresses need at most 56. */
#define DX_REACTOR_ADDRESS_TEXT_SIZE 128
/* The inverse; zero-terminated. EINVAL, ENOSPACE. */
DX_REACTOR_API int dx_reactor_address_format(const dx_reactor_address *address, char *text,
                                             size_t capacity);
/* The port of an IPv4 or IPv6 address, else 0. */
DX_REACTOR_API uint16_t dx_reactor_address_port(const dx_reactor_address *address);

#define DX_REACTOR_REUSEPORT 1u /* listen: several sockets share the port, one per reactor */
#define DX_REACTOR_V6ONLY    2u /* listen: an IPv6 address accepts no IPv4 connections */
#define DX_REACTOR_NODELAY   4u /* connect, accept: send small pieces at once */

/* Create a listening stream socket in *fd (SO_REUSEADDR). flags: REUSEPORT (not with a unix
   address), V6ONLY, NODELAY (inherited by accepted sockets). backlog 0 = 1024. *bound (may be NULL)
   gets the address, with the port that the system chose for port 0. The file of a unix address must
   not exist, and stays after close: the program removes it. EINVAL, ESYS. */
DX_REACTOR_API int dx_reactor_listen(dx_reactor *r, const dx_reactor_address *address,
                                     uint32_t flags, int backlog, int *fd,
                                     dx_reactor_address *bound);
/* Create a datagram socket bound to *address; flags: REUSEPORT, V6ONLY, as above. */
DX_REACTOR_API int dx_reactor_bind_udp(dx_reactor *r, const dx_reactor_address *address,
                                       uint32_t flags, int *fd, dx_reactor_address *bound);
/* Create a stream socket for dx_reactor_connect() to *address. flags: NODELAY. EINVAL, ESYS. */
DX_REACTOR_API int dx_reactor_socket(dx_reactor *r, const dx_reactor_address *address,
                                     uint32_t flags, int *fd);

/* >>tasks --------------------------------------------------------------
   Work other than I/O. A task is memory of the caller, borrowed from the push until `worker` calls
   fn, which may push it again. */
typedef struct dx_reactor_task dx_reactor_task;
typedef struct dx_reactor_worker dx_reactor_worker;
struct dx_reactor_task {
    void (*fn)(dx_reactor_task *task, dx_reactor_worker *worker);
    void *user; /* the caller's */
    dx_reactor_task *next; /* for the queue that holds the task */
};

/* >>workers ------------------------------------------------------------
   A group of threads, each with a reactor, its own deque of tasks and an inbox. A worker runs its
   deque (last in, first out), then its inbox, then polls for completions. With deque and inbox
   empty, it steals a task from another worker's deque; if there is nothing to steal, it sleeps. To
   share a port, each listens with DX_REACTOR_REUSEPORT; on Windows one listens and passes accepted
   sockets on with dx_reactor_post(), before it starts anything on them. Link -lpthread if libc has
   no threads. */
typedef struct dx_reactor_group dx_reactor_group;
typedef struct dx_reactor_group_desc {
    void           *memory;      /* required, any alignment; borrowed until join returns */
    size_t          memory_size; /* dx_reactor_group_memory_size() */
    uint32_t        workers;     /* 0 = one per CPU: dx_reactor_cpu_count(); at most 1024 */
    bool            fixed;       /* exactly `workers`; 0 is then refused */
    bool            no_pin;      /* true: threads may move between CPUs */
    uint32_t        tasks_max;   /* per deque; 0 = 1024; rounded up to a power of two */
    dx_reactor_desc reactor;     /* for every worker; memory and memory_size are ignored */
    int  (*start)(dx_reactor_worker *w); /* on its thread, reactor open; not 0: the group ends */
    void (*stop)(dx_reactor_worker *w);  /* on its thread, before its reactor closes; may be NULL */
    void           *user;
} dx_reactor_group_desc;

struct dx_reactor_worker { /* one thread; the first fields may be read, on it or after join */
    dx_reactor        reactor;
    dx_reactor_group *group;
    uint32_t          index;      /* 0..count-1 */
    int32_t           cpu;        /* pinned to this CPU; -1: not pinned */
    uint64_t          from_deque; /* tasks run: from its own deque, */
    uint64_t          from_inbox; /* from its inbox, */
    uint64_t          stolen;     /* from other workers' deques */
    uint64_t          sleeps;

    dx_reactor_task **tasks_;     /* the deque: a ring of mask_ + 1 slots */
    dx_reactor_task  *ready_;     /* popped from the inbox, in order */
    uintptr_t         mask_;
    uint64_t          thread_;
    int               error_;     /* why it ended */
    uint8_t           pad1_[64];  /* fields of different writers are on different cache lines */
    uintptr_t         bottom_;    /* the owner pushes and pops here */
    uint8_t           pad2_[64];
    uintptr_t         top_;       /* thieves pop here */
    uint8_t           pad3_[64];
    dx_reactor_task  *inbox_;     /* a stack; any thread pushes */
    uint32_t          idle_;      /* it sleeps, or is about to */
    uint8_t           pad4_[64];
};

struct dx_reactor_group { /* caller-allocated, not to be moved; the first fields may be read */
    dx_reactor_group_desc desc;
    uint32_t count;    /* workers */

    uint32_t next_;    /* round robin of DX_REACTOR_ANY */
    uint32_t stop_;    /* 1: the workers must end */
    uint32_t begun_;   /* workers that have opened, or failed to start */
    uint32_t ended_;   /* workers whose loop has ended, or failed to start */
    uint32_t stopping_; /* calls of dx_reactor_group_stop() entered, */
    uint32_t stopped_; /* and left: those no longer wake a worker */
    uint32_t joining_; /* 1: dx_reactor_group_join() was called */
    uint8_t *workers_; /* stride_ bytes each: the worker, its reactor's memory, its deque */
    size_t   stride_;
};

/* Number of CPUs this process may use: its affinity mask, or less if a cgroup quota limits it.
   *limit (may be NULL): which limit applied. */
enum { DX_REACTOR_CPUS_ONLINE = 0, DX_REACTOR_CPUS_AFFINITY = 1, DX_REACTOR_CPUS_QUOTA = 2 };
DX_REACTOR_API uint32_t dx_reactor_cpu_count(int *limit);
/* 0: a field is out of its range. */
DX_REACTOR_API size_t dx_reactor_group_memory_size(const dx_reactor_group_desc *desc);
/* Returns when every worker runs. EINVAL, ENOMEM, ESYS (a thread could not be created), or the
   error of desc.start or dx_reactor_open(); then all threads have ended. */
DX_REACTOR_API int  dx_reactor_group_start(dx_reactor_group *g,
                                           const dx_reactor_group_desc *desc);
/* From any thread or signal handler: every worker ends after the function it is running. */
DX_REACTOR_API void dx_reactor_group_stop(dx_reactor_group *g);
/* Wait until all workers have ended. OK, or the error of a worker that ended by itself. Tasks that
   did not run belong to the caller again. Threads outside the group must have finished their
   submits. */
DX_REACTOR_API int  dx_reactor_group_join(dx_reactor_group *g);
/* From any thread or signal handler: put a task into the inbox of worker 0..count-1;
   DX_REACTOR_ANY: round robin. Tasks from one thread to one worker start in order. EINVAL. */
#define DX_REACTOR_ANY UINT32_MAX
DX_REACTOR_API int  dx_reactor_group_submit(dx_reactor_group *g, uint32_t worker,
                                            dx_reactor_task *task);
/* From w's own thread: push onto its deque, where others may steal it. EINVAL; EAGAIN: full. */
DX_REACTOR_API int  dx_reactor_worker_push(dx_reactor_worker *w, dx_reactor_task *task);
DX_REACTOR_API dx_reactor_worker *dx_reactor_group_worker(const dx_reactor_group *g, uint32_t i);

/* >>results ------------------------------------------------------------ */
DX_REACTOR_API bool     dx_reactor_is_success(const dx_completion *c);
DX_REACTOR_API bool     dx_reactor_is_error(const dx_completion *c);
/* The bytes of a success, else 0. */
DX_REACTOR_API uint32_t dx_reactor_bytes(const dx_completion *c);
/* The positive errno of an error, else 0. Defined for every result, INT32_MIN included. */
DX_REACTOR_API uint32_t dx_reactor_errno(const dx_completion *c);

/* >>extension ----------------------------------------------------------
   For layers that run on the application's reactor; promised like everything above. A layer owns
   operations with functions of its own. While completions are delivered it collects output, and
   submits it in one piece when no completion is left:

       deliver, deliver, deliver, none left --> flush of each extension that asked --> wait
          ^                                              |
          +------ completions of what it started --------+

   dx_reactor_close() flushes each extension once, asked or not: the layer's objects that have an
   operation end with its completion, the others in this flush. Call these functions on the
   reactor's thread only; a flush must not wait, run or close the reactor. */
typedef struct dx_reactor_extension dx_reactor_extension;
struct dx_reactor_extension { /* caller-allocated; not to be moved until dx_reactor_close() */
    void (*flush)(dx_reactor *r, dx_reactor_extension *extension); /* may start operations */
    void       *user;        /* the layer's own */
    const void *memory;      /* where its operations are, for dx_reactor_ext_owner(); may be NULL */
    size_t      memory_size; /* bytes */
    dx_reactor_extension *next_;
    bool        due_;        /* it asked to be flushed */
};

/* Attach *extension to an open reactor until it closes. EINVAL. */
DX_REACTOR_API int dx_reactor_ext_attach(dx_reactor *r, dx_reactor_extension *extension);
/* The extension whose memory contains `address`, say that of an operation; NULL: none. */
DX_REACTOR_API dx_reactor_extension *dx_reactor_ext_owner(const dx_reactor *r,
                                                          const void *address);
/* Have flush called once, after all pending deliveries and before the reactor waits. */
DX_REACTOR_API void dx_reactor_ext_flush_later(dx_reactor *r, dx_reactor_extension *extension);
/* Zero *op, set fn, and note the descriptor that it will be started on. Not while op is pending. */
DX_REACTOR_API void dx_reactor_ext_op_init(dx_op *op, dx_op_fn *fn, int fd);
/* The descriptor from dx_reactor_ext_op_init() or of its last start. Not for timers, deadlines
   and receives of messages. */
DX_REACTOR_API int dx_reactor_ext_op_fd(const dx_op *op);
/* Send the end of data at once, ahead of pending operations. 0 or -errno. */
DX_REACTOR_API int32_t dx_reactor_ext_shutdown_now(dx_reactor *r, int fd);
/* Close a descriptor that no operation was started on. 0 or -errno. */
DX_REACTOR_API int32_t dx_reactor_ext_close_now(dx_reactor *r, int fd);
/* Has dx_reactor_close() begun? Then -ECANCELED is its doing, and only closes can be started. */
DX_REACTOR_API bool dx_reactor_ext_is_closing(const dx_reactor *r);
/* Buffers in the pool of dx_reactor_recv_multishot(). 0: none, or r is not open. */
DX_REACTOR_API uint32_t dx_reactor_ext_pool_count(const dx_reactor *r);
/* Bytes of each. */
DX_REACTOR_API uint32_t dx_reactor_ext_pool_size(const dx_reactor *r);
/* As dx_reactor_recv_multishot(), but the next buffer is filled only after the last one was
   returned: exactly, also with io_uring. After a cancel in its own callback nothing more comes. */
DX_REACTOR_API int dx_reactor_ext_recv_single(dx_reactor *r, dx_op *op, int fd);
/* From `on` until the same number of calls without it, returned buffers count as held and are not
   filled again, so what canceled receives still deliver is at most the pool. Only until these have
   ended, because all others of the reactor wait for buffers as well. */
DX_REACTOR_API void dx_reactor_ext_pool_hold(dx_reactor *r, bool on);
/* The clock of r's timers, read now, without updating dx_reactor_now_ns(). r NULL: the
   system's monotonic clock. ns. */
DX_REACTOR_API uint64_t dx_reactor_ext_clock_ns(const dx_reactor *r);

#ifdef __cplusplus
}
#endif
#endif /* DX_REACTOR_H */

/* >>implementation ----------------------------------------------------- */
#if (defined(DX_REACTOR_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_REACTOR_IMPLEMENTED)
#define DX_REACTOR_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
/* On Linux, DX_REACTOR_KQUEUE adds the kqueue backend for tests that supply a <sys/event.h>. */
#if (!defined(__linux__) && !defined(_WIN32)) || defined(DX_REACTOR_KQUEUE)
  #define DX_REACTOR_P_KQUEUE 1
#else
  #define DX_REACTOR_P_KQUEUE 0
#endif
/* MSVC has _Interlocked functions, GCC and clang have atomic builtins. DX_REACTOR_INTERLOCKED
   selects the former elsewhere, for tests that supply an <intrin.h>. */
#if (defined(_MSC_VER) && !defined(__clang__)) || defined(DX_REACTOR_INTERLOCKED)
  #define DX_REACTOR_P_INTERLOCKED 1
#elif defined(__GNUC__) || defined(__clang__)
  #define DX_REACTOR_P_INTERLOCKED 0
#else
  #error "dx_reactor.h needs the atomics of GCC, clang or MSVC"
#endif

#include <errno.h>
#if defined(_WIN32)
  #include <winsock2.h> /* before <windows.h>, also before the program's own */
  #include <ws2tcpip.h>
  #include <mswsock.h>
  #include <windows.h>
  #include <winioctl.h>
#else
  #include <arpa/inet.h>
  #include <fcntl.h>
  #include <netinet/in.h>
  #include <netinet/tcp.h>
  #include <poll.h>
  #include <pthread.h>
  #include <signal.h>
  #include <sys/socket.h>
  #include <sys/stat.h>
  #include <sys/un.h>
  #include <time.h>
  #include <unistd.h>
#endif
#if defined(__linux__)
  #include <sys/epoll.h>
  #include <sys/eventfd.h>
  #include <sys/mman.h>
  #include <sys/syscall.h>

/* <unistd.h> hides syscall() under a strict -std=c99, and a feature macro would come too late in a
   header that is not included first. In C++ it is always there. */
  #ifndef __cplusplus
extern long syscall(long number, ...);
  #endif
#endif
#if DX_REACTOR_P_KQUEUE
  #include <sys/event.h>
#endif

#ifndef DX_REACTOR_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_REACTOR_ASSERT(c) assert(c)
  #else
    #define DX_REACTOR_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if DX_REACTOR_P_INTERLOCKED
  #include <intrin.h>
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_REACTOR_P_LIBC(name) __builtin_##name
  #define DX_REACTOR_P_PREFETCH(p) __builtin_prefetch(p)
#else
  #include <string.h>
  #define DX_REACTOR_P_LIBC(name) name
  #define DX_REACTOR_P_PREFETCH(p) ((void)(p))
#endif
#ifndef DX_REACTOR_MEMCPY
  #define DX_REACTOR_MEMCPY DX_REACTOR_P_LIBC(memcpy)
#endif
#ifndef DX_REACTOR_MEMSET
  #define DX_REACTOR_MEMSET DX_REACTOR_P_LIBC(memset)
#endif

#if defined(__linux__)
/* Numbers missing in headers older than the kernel. Equal on every architecture except Alpha and
   MIPS, which need current headers. */
#if defined(SYS_io_uring_setup)
  #define DX_REACTOR_P_SYS_SETUP    SYS_io_uring_setup
  #define DX_REACTOR_P_SYS_ENTER    SYS_io_uring_enter
  #define DX_REACTOR_P_SYS_REGISTER SYS_io_uring_register
#else
  #define DX_REACTOR_P_SYS_SETUP    425
  #define DX_REACTOR_P_SYS_ENTER    426
  #define DX_REACTOR_P_SYS_REGISTER 427
#endif
#if defined(SYS_epoll_pwait2)
  #define DX_REACTOR_P_SYS_PWAIT2 SYS_epoll_pwait2
#else
  #define DX_REACTOR_P_SYS_PWAIT2 441
#endif
#endif
#if defined(SO_REUSEPORT)
  #define DX_REACTOR_P_REUSEPORT SO_REUSEPORT
#elif defined(__mips__) || defined(__sparc__) || defined(__hppa__)
  #define DX_REACTOR_P_REUSEPORT 0x0200
#else /* hidden by a strict -std=c99 */
  #define DX_REACTOR_P_REUSEPORT 15
#endif

#if defined(MSG_NOSIGNAL)
  #define DX_REACTOR_P_NOSIGNAL MSG_NOSIGNAL
#else /* macOS: an option of the socket */
  #define DX_REACTOR_P_NOSIGNAL 0
#endif
/* Instead of a result: the operation would block, or completes later; or a thread runs it. */
#define DX_REACTOR_P_BLOCKED   INT32_MIN
#define DX_REACTOR_P_ON_THREAD (INT32_MIN + 1)

#if defined(_WIN32)
  #define DX_REACTOR_P_BIND_OPTION SO_EXCLUSIVEADDRUSE /* else anybody may steal a bound port */
typedef SOCKET dx_reactor_p_system_socket;
typedef DWORD WINAPI dx_reactor_p_thread(void *user);
typedef char dx_reactor_p_op_size[sizeof(dx_op) <= 128 ? 1 : -1];
#else
  #define DX_REACTOR_P_BIND_OPTION SO_REUSEADDR
typedef int dx_reactor_p_system_socket;
typedef void *dx_reactor_p_thread(void *user);
typedef char dx_reactor_p_op_size[sizeof(dx_op) <= 64 ? 1 : -1];
typedef char dx_reactor_p_thread_size[sizeof(pthread_t) <= 8 ? 1 : -1];
#endif
typedef char dx_reactor_p_completion_size[sizeof(dx_completion) == 16 ? 1 : -1];

enum { /* dx_op.kind_: the reading side, the writing side, then the unordered ones */
    DX_REACTOR_P_ACCEPT = 1,
    DX_REACTOR_P_RECV,
    DX_REACTOR_P_READ,      /* of a stream */
    DX_REACTOR_P_RECVFROM,
    DX_REACTOR_P_CONNECT,
    DX_REACTOR_P_SEND,
    DX_REACTOR_P_WRITE,     /* to a stream */
    DX_REACTOR_P_SENDTO,
    DX_REACTOR_P_SHUTDOWN,
    DX_REACTOR_P_POLL,
    DX_REACTOR_P_PREAD,     /* at an offset */
    DX_REACTOR_P_PWRITE,
    DX_REACTOR_P_FSYNC,
    DX_REACTOR_P_CLOSE,
    DX_REACTOR_P_TIMER,     /* from here on: no descriptor */
    DX_REACTOR_P_DEADLINE,
    DX_REACTOR_P_RECEIVE
};

enum { /* which list of a descriptor an operation is in */
    DX_REACTOR_P_READS  = 0,
    DX_REACTOR_P_WRITES = 1,
    DX_REACTOR_P_OTHERS = 2,
    DX_REACTOR_P_SIDES  = 3
};

enum { /* dx_op.state_ */
    DX_REACTOR_P_IDLE = 0,  /* free for a start */
    DX_REACTOR_P_WAITING,   /* in a descriptor's list, after another */
    DX_REACTOR_P_ACTIVE,    /* first in a descriptor's list, or unordered: in the backend */
    DX_REACTOR_P_TIMING,    /* in the wheel */
    DX_REACTOR_P_EXPIRED,   /* a deadline that fired: ends after its target */
    DX_REACTOR_P_RECEIVING, /* in the list of receivers */
    DX_REACTOR_P_DONE       /* in the queue of completions */
};

enum { /* dx_op.flags_ */
    DX_REACTOR_P_F_MULTISHOT   = 1,
    DX_REACTOR_P_F_CANCEL      = 2,    /* it was asked to end */
    DX_REACTOR_P_F_TIMED_OUT   = 4,    /* by a deadline */
    DX_REACTOR_P_F_LIMITED     = 8,    /* offset_ is the dx_op of its deadline, until both end */
    DX_REACTOR_P_F_STALLED     = 32,   /* active, to be issued in the next round */
    DX_REACTOR_P_F_CANCEL_HELD = 64,   /* io_uring: no room for its cancel, retry later */
    DX_REACTOR_P_F_POLLING     = 128,  /* io_uring: waits for readiness, then is issued again */
    DX_REACTOR_P_F_ONESHOT     = 256,  /* io_uring: multishot accept failed, retry without; pooled
                                          receive: dx_reactor_ext_recv_single() */
    DX_REACTOR_P_F_PAUSED      = 512,  /* recv_multishot: no buffer; the backend does not know it */
    DX_REACTOR_P_F_PARKED      = 1024, /* paused, and queued for the next free buffer */
    DX_REACTOR_P_F_ZERO_COPY   = 2048, /* a send that may skip the copy */
    DX_REACTOR_P_F_LENT        = 4096, /* the kernel or a thread owns the buffer */
    DX_REACTOR_P_F_UNCOPIED    = 8192  /* the kernel sent without a copy */
};

enum { /* dx_reactor_p_fd.flags */
    DX_REACTOR_P_FD_REGISTERED = 1,    /* the system reports readiness */
    DX_REACTOR_P_FD_STREAM     = 2,    /* operations other than polls were started on it */
    DX_REACTOR_P_FD_CLOSING    = 4,    /* a close is pending: nothing new may start */
    DX_REACTOR_P_FD_RETRY      = 8,    /* in fd_retry_ or fd_retry_file_ */
    DX_REACTOR_P_FD_ADMITTED   = 16,   /* epoll: known to be a non-blocking stream */
    DX_REACTOR_P_FD_SOCKET     = 32,   /* IOCP: a socket, not another handle */
    DX_REACTOR_P_FD_SKIPS      = 64,   /* IOCP: immediate success posts no completion */
    DX_REACTOR_P_FD_TCP        = 128,  /* epoll: a short receive means empty, unless ENDING */
    DX_REACTOR_P_FD_ENDING     = 256,  /* the end of data or an urgent byte makes receives short */
    DX_REACTOR_P_FD_EMPTY      = 512,  /* empty: wait for an event before the next receive */
    DX_REACTOR_P_FD_SEEKABLE   = 1024, /* io_uring: it has offsets */
    DX_REACTOR_P_FD_RECHECK    = 2048, /* was idle while registered: may be another's by now */
    DX_REACTOR_P_FD_BLOCKING   = 4096  /* a blocking stream: poll before each call */
};

enum {
    DX_REACTOR_P_PIPE        = 512,    /* bytes that a writable pipe accepts at once (POSIX) */
    DX_REACTOR_P_TRIES       = 16,     /* system calls for one operation per round */
    DX_REACTOR_P_BATCH_MAX   = 64,     /* completions that one system call waits for */
    DX_REACTOR_P_BATCH_NS    = 5000000 /* first timeout of a wait for several */
};

/* State of one descriptor; picture in >>table. Indexes are the position in
   fds_ plus one; 0: none. */
typedef struct dx_reactor_p_fd {
    dx_op   *lists[DX_REACTOR_P_SIDES]; /* circular; the head of reads and writes is active */
    int32_t  fd;
    uint32_t next;       /* in the bucket, or in the free list */
    uint32_t retry;      /* next entry in fd_retry_ or fd_retry_file_ */
    uint16_t generation; /* of its registration; events carry it, so stale ones are recognised */
    uint16_t flags;      /* DX_REACTOR_P_FD_ */
} dx_reactor_p_fd;       /* 40 bytes with 64-bit pointers */

typedef struct dx_reactor_p_cell { /* of the message queue: >>posts */
    uint64_t words[3];
    uint32_t sequence;             /* who may use it next */
} dx_reactor_p_cell;

/* A backend. The core manages lists, order, timers, messages, cancellation and closing; a backend
   talks to the system. Active operations belong to the backend until it ends them:

       core                                   backend
       ----                                   -------
       head of its list, or unordered   --->  issue()      one submission, or attempt() and arm()
       a cancel, a deadline, a close    --->  cancel()     ends it at once, or when the system does
       nothing left to deliver          --->  wait()       processes the system's events
       queue a completion               <---  dx_reactor_p_end()
       queue one with F_MORE            <---  dx_reactor_p_more_push()
       issue it again in the next round <---  dx_reactor_p_retry_later() */
typedef struct dx_reactor_p_backend {
    const char *name;
    int  (*open)(dx_reactor *r, const dx_reactor_desc *desc); /* 0 or an errno; notes the refusal */
    void (*close)(dx_reactor *r); /* also after a refusal; NULL: nothing but descriptors */
    /* Start or continue an active operation; may call dx_reactor_p_end(). */
    void (*issue)(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op);
    /* Cancel an active operation; may end it at once. */
    void (*cancel)(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op);
    /* The descriptor is about to be closed or forgotten. NULL: nothing to do. */
    void (*detach)(dx_reactor *r, dx_reactor_p_fd *e);
    int  (*submit)(dx_reactor *r); /* 0 or -errno; NULL: issue submits at once */
    /* Submit, wait for `min` events at most timeout_ns (< 0: forever), process them. 0 or
       -errno; -EINTR: a signal. */
    int  (*wait)(dx_reactor *r, uint32_t min, int64_t timeout_ns);
    bool (*reap)(dx_reactor *r);   /* process events that need no system call; NULL: none */
    void (*wake)(dx_reactor *r);   /* end a wait; from any thread or signal handler */
    int32_t (*shutdown)(dx_reactor *r, int fd); /* half-close; 0 or -errno */
    int32_t (*close_fd)(dx_reactor *r, int fd);
    /* For dx_reactor_p_ready_issue(): attempt makes one system call that does not block; after
       BLOCKED, arm asks the system to report readiness (NULL: it does anyway). arm: 0, -errno, or
       1: still registered, it is the same descriptor as before. */
    int32_t (*attempt)(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op);
    int32_t (*arm)(dx_reactor *r, dx_reactor_p_fd *e);
    uint64_t (*clock)(const dx_reactor *r); /* in ns; NULL: the system's monotonic clock */
    int (*socket)(dx_reactor *r, const dx_reactor_address *address, int backlog, int *fd,
                  dx_reactor_address *bound); /* NULL: the system's; backlog < 0: datagrams */
} dx_reactor_p_backend;

/* >>atomics ------------------------------------------------------------
   Threads share words of 4 bytes and of a pointer's size. Memory orders are those of C11, by its
   names; a failed DX_REACTOR_P_SWAP_IF is relaxed and loads the current value into *expected. The
   rings shared with a kernel (>>io_uring) are compiled by GCC and clang only.

   With MSVC's functions, as in its own <atomic>: words are loaded and stored whole, and barriers
   around the access give the order. An x86 needs compiler barriers only, except for a load after a
   sequentially consistent store, which is therefore an exchange:

                     x86, x64                        ARM64
       load          load, compiler's barrier        load, barrier
       load SEQ_CST  the same                        barrier, load, barrier
       store RELEASE compiler's barrier, store       barrier, store
       store SEQ_CST exchange                        barrier, store, barrier
       the others    _Interlocked functions          the same, whatever the order

   The barrier before a load SEQ_CST orders it after an _Interlocked function, whose store may be a
   mere release on ARM64. */
#if !DX_REACTOR_P_INTERLOCKED
#define DX_REACTOR_P_LOAD(type, p, order) __atomic_load_n((p), __ATOMIC_##order)
#define DX_REACTOR_P_STORE(p, value, order) __atomic_store_n((p), (value), __ATOMIC_##order)
#define DX_REACTOR_P_EXCHANGE(type, p, value, order) \
    __atomic_exchange_n((p), (value), __ATOMIC_##order)
#define DX_REACTOR_P_SWAP_IF(p, expected, value, weak, order) \
    __atomic_compare_exchange_n((p), (expected), (value), weak, __ATOMIC_##order, __ATOMIC_RELAXED)
#define DX_REACTOR_P_ADD(p, n, order) __atomic_fetch_add((p), (n), __ATOMIC_##order)
#define DX_REACTOR_P_OR(p, bits, order) __atomic_fetch_or((p), (bits), __ATOMIC_##order)
#define DX_REACTOR_P_AND(p, bits, order) __atomic_fetch_and((p), (bits), __ATOMIC_##order)
#else
#if defined(_WIN32)
typedef long dx_reactor_p_long; /* 4 bytes */
#else
typedef int dx_reactor_p_long;
#endif
enum {
    DX_REACTOR_P_RELAXED,
    DX_REACTOR_P_ACQUIRE,
    DX_REACTOR_P_RELEASE,
    DX_REACTOR_P_SEQ_CST
};

/* Full barrier for compiler and processor, except that an x86 may move a later load
   before an earlier store. */
static void dx_reactor_p_barrier(void)
{
#if defined(_M_ARM64) || defined(__aarch64__)
    __dmb(11); /* inner shareable */
#elif defined(_MSC_VER)
    __pragma(warning(suppress: 4996)) /* "use <atomic>": C has none */
    _ReadWriteBarrier();
#else
    _ReadWriteBarrier();
#endif
}

static uintptr_t dx_reactor_p_load(const volatile void *p, size_t size, int order)
{
    uintptr_t value;
    DX_REACTOR_ASSERT(size == 4 || size == sizeof value);
    if (order == DX_REACTOR_P_SEQ_CST) dx_reactor_p_barrier();
#if UINTPTR_MAX > UINT32_MAX
    if (size == 8) value = (uintptr_t)__iso_volatile_load64((const volatile long long *)p);
    else
#endif
        value = (uint32_t)__iso_volatile_load32((const volatile int *)p);
    if (order != DX_REACTOR_P_RELAXED) dx_reactor_p_barrier();
    return value;
}

static uintptr_t dx_reactor_p_exchange(volatile void *p, size_t size, uintptr_t value)
{
    DX_REACTOR_ASSERT(size == 4 || size == sizeof value);
#if UINTPTR_MAX > UINT32_MAX
    if (size == 8)
        return (uintptr_t)_InterlockedExchange64((volatile long long *)p, (long long)value);
#endif
    return (uint32_t)_InterlockedExchange((volatile dx_reactor_p_long *)p,
                                          (dx_reactor_p_long)value);
}

static void dx_reactor_p_store(volatile void *p, size_t size, uintptr_t value, int order)
{
    DX_REACTOR_ASSERT(size == 4 || size == sizeof value);
#if !defined(_M_ARM64) && !defined(__aarch64__)
    if (order == DX_REACTOR_P_SEQ_CST) {
        (void)dx_reactor_p_exchange(p, size, value);
        return;
    }
#endif
    if (order != DX_REACTOR_P_RELAXED) dx_reactor_p_barrier();
#if UINTPTR_MAX > UINT32_MAX
    if (size == 8) __iso_volatile_store64((volatile long long *)p, (long long)value);
    else
#endif
        __iso_volatile_store32((volatile int *)p, (int)value);
    if (order == DX_REACTOR_P_SEQ_CST) dx_reactor_p_barrier();
}

/* Compare and swap: if *p is *expected, store value and return true; else
   load *p into *expected. */
static bool dx_reactor_p_swap_if(volatile void *p, size_t size, void *expected, uintptr_t value)
{
    bool same;
#if UINTPTR_MAX > UINT32_MAX
    long long was8;
    long long is8;
#endif
    dx_reactor_p_long was;
    dx_reactor_p_long is;
    DX_REACTOR_ASSERT(size == 4 || size == sizeof value);
#if UINTPTR_MAX > UINT32_MAX
    if (size == 8) {
        DX_REACTOR_MEMCPY(&was8, expected, sizeof was8);
        is8 = _InterlockedCompareExchange64((volatile long long *)p, (long long)value, was8);
        same = is8 == was8;
        DX_REACTOR_MEMCPY(expected, &is8, sizeof is8);
        return same;
    }
#endif
    DX_REACTOR_MEMCPY(&was, expected, sizeof was);
    is = _InterlockedCompareExchange((volatile dx_reactor_p_long *)p, (dx_reactor_p_long)value,
                                     was);
    same = is == was;
    DX_REACTOR_MEMCPY(expected, &is, sizeof is);
    return same;
}

#define DX_REACTOR_P_LOAD(type, p, order) \
    ((type)dx_reactor_p_load((p), sizeof *(p), DX_REACTOR_P_##order))
#define DX_REACTOR_P_STORE(p, value, order) \
    dx_reactor_p_store((p), sizeof *(p), (uintptr_t)(value), DX_REACTOR_P_##order)
#define DX_REACTOR_P_EXCHANGE(type, p, value, order) \
    ((type)dx_reactor_p_exchange((p), sizeof *(p), (uintptr_t)(value)))
#define DX_REACTOR_P_SWAP_IF(p, expected, value, weak, order) \
    dx_reactor_p_swap_if((p), sizeof *(p), (expected), (uintptr_t)(value))
/* For words of 4 bytes; they return the old value. */
#define DX_REACTOR_P_WORD(p) ((volatile dx_reactor_p_long *)(void *)(p))
#define DX_REACTOR_P_ADD(p, n, order) \
    ((uint32_t)_InterlockedExchangeAdd(DX_REACTOR_P_WORD(p), (dx_reactor_p_long)(n)))
#define DX_REACTOR_P_OR(p, bits, order) \
    ((uint32_t)_InterlockedOr(DX_REACTOR_P_WORD(p), (dx_reactor_p_long)(bits)))
#define DX_REACTOR_P_AND(p, bits, order) \
    ((uint32_t)_InterlockedAnd(DX_REACTOR_P_WORD(p), (dx_reactor_p_long)(bits)))
#endif

/* The index of the highest or lowest set bit. */
static uint32_t dx_reactor_p_high_bit(uint64_t bits)
{
    DX_REACTOR_ASSERT(bits != 0);
#if defined(__GNUC__) || defined(__clang__)
    return 63u - (uint32_t)__builtin_clzll(bits);
#else
    uint32_t n = 0;
    uint32_t step;
    for (step = 32; step; step /= 2) {
        if (bits >> (n + step)) n += step;
    }
    return n;
#endif
}

static uint32_t dx_reactor_p_low_bit(uint64_t bits)
{
    DX_REACTOR_ASSERT(bits != 0);
#if defined(__GNUC__) || defined(__clang__)
    return (uint32_t)__builtin_ctzll(bits);
#else
    return dx_reactor_p_high_bit(bits & (0 - bits));
#endif
}

/* >>helpers ------------------------------------------------------------
   Clocks, threads, text and sockets: system differences that do not concern events. After this
   section only the backends depend on the system. */
static uint64_t dx_reactor_p_monotonic(void)
{
#if defined(_WIN32)
    LARGE_INTEGER count, second;
    uint64_t a;
    uint64_t b;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&second);
    a = (uint64_t)count.QuadPart;
    b = (uint64_t)second.QuadPart;
    return a / b * 1000000000u + a % b * 1000000000u / b;
#elif defined(CLOCK_MONOTONIC)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#else /* a strict -std=c99 hides the declaration of clock_gettime() */
  #if defined(SYS_clock_gettime64)
    int64_t now[2] = {0, 0};
    syscall(SYS_clock_gettime64, 1, now);
  #else
    long now[2] = {0, 0};
    syscall(SYS_clock_gettime, 1, now);
  #endif
    return (uint64_t)now[0] * 1000000000u + (uint64_t)now[1];
#endif
}

/* The reactor's clock. It never goes back, even if the system's does. */
static uint64_t dx_reactor_p_clock(const dx_reactor *r)
{
    const dx_reactor_p_backend *b = r->backend_;
    uint64_t now = b && b->clock ? b->clock(r) : dx_reactor_p_monotonic();
    return now > r->now_ ? now : r->now_;
}

/* Milliseconds for poll(2) and epoll_wait(2), rounded up so that no timer fires early. */
static inline int dx_reactor_p_milliseconds(int64_t ns) /* not for kqueue */
{
    if (ns < 0) return -1;
    return ns > (int64_t)2000000000 * 1000000 ? 2000000000 : (int)((ns + 999999) / 1000000);
}

/* A descriptor for the system's socket functions: an int, or a SOCKET. */
static dx_reactor_p_system_socket dx_reactor_p_socket_of(int fd)
{
    return (dx_reactor_p_system_socket)(intptr_t)fd;
}

#if defined(_WIN32)
#define DX_REACTOR_P_E(name) {WSA##name, name}
static const struct {
    DWORD system;
    int   number;
} dx_reactor_p_errors[] = {
    {ERROR_OPERATION_ABORTED, ECANCELED}, {ERROR_INVALID_HANDLE, EBADF},
    {ERROR_NETNAME_DELETED, ECONNRESET}, {ERROR_PORT_UNREACHABLE, ECONNREFUSED},
    {ERROR_CONNECTION_REFUSED, ECONNREFUSED}, {ERROR_CONNECTION_ABORTED, ECONNABORTED},
    {ERROR_SEM_TIMEOUT, ETIMEDOUT}, {ERROR_ACCESS_DENIED, EACCES}, {ERROR_DISK_FULL, ENOSPC},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM}, {ERROR_NO_SYSTEM_RESOURCES, ENOBUFS},
    {ERROR_NO_DATA, EPIPE}, {ERROR_BROKEN_PIPE, EPIPE}, {ERROR_MORE_DATA, EMSGSIZE},
    {ERROR_INVALID_PARAMETER, EINVAL}, {WSAESHUTDOWN, EPIPE}, {WSAENOPROTOOPT, EOPNOTSUPP},
    DX_REACTOR_P_E(EBADF), DX_REACTOR_P_E(EACCES), DX_REACTOR_P_E(EFAULT), DX_REACTOR_P_E(EINVAL),
    DX_REACTOR_P_E(EMFILE), DX_REACTOR_P_E(ENOTSOCK), DX_REACTOR_P_E(EMSGSIZE),
    DX_REACTOR_P_E(EOPNOTSUPP), DX_REACTOR_P_E(EAFNOSUPPORT), DX_REACTOR_P_E(EADDRINUSE),
    DX_REACTOR_P_E(EADDRNOTAVAIL), DX_REACTOR_P_E(ENETUNREACH), DX_REACTOR_P_E(ECONNABORTED),
    DX_REACTOR_P_E(ECONNRESET), DX_REACTOR_P_E(ENOBUFS), DX_REACTOR_P_E(EISCONN),
    DX_REACTOR_P_E(ENOTCONN), DX_REACTOR_P_E(ETIMEDOUT), DX_REACTOR_P_E(ECONNREFUSED),
    DX_REACTOR_P_E(EHOSTUNREACH)};

/* The errno for a Windows error; EIO if it has no counterpart. */
static int dx_reactor_p_errno_of(DWORD error)
{
    size_t i;
    for (i = 0; i < sizeof dx_reactor_p_errors / sizeof *dx_reactor_p_errors; i++)
        if (dx_reactor_p_errors[i].system == error) return dx_reactor_p_errors[i].number;
    return EIO;
}

static int dx_reactor_p_last_errno(void)
{
    return dx_reactor_p_errno_of(GetLastError()); /* Winsock keeps its errors there too */
}

/* Sockets need this once per process; more often is harmless. */
static bool dx_reactor_p_winsock(void)
{
    WSADATA data; /* reference-counted by the system until the process ends */
    return WSAStartup(MAKEWORD(2, 2), &data) == 0;
}
#else
static int dx_reactor_p_last_errno(void)
{
    return errno;
}
#endif

/* Start a thread. *thread is its handle, 64 bits on every system. 0 or an errno. */
static int dx_reactor_p_thread_start(uint64_t *thread, dx_reactor_p_thread *main, void *user)
{
#if defined(_WIN32)
    *thread = (uint64_t)(uintptr_t)CreateThread(NULL, 0, main, user, 0, NULL);
    return *thread ? 0 : dx_reactor_p_last_errno();
#else
    pthread_t made;
    int error = pthread_create(&made, NULL, main, user);
    if (!error) DX_REACTOR_MEMCPY(thread, &made, sizeof made);
    return error;
#endif
}

/* Join a thread, once. */
static void dx_reactor_p_thread_join(uint64_t thread)
{
#if defined(_WIN32)
    WaitForSingleObject((HANDLE)(uintptr_t)thread, INFINITE);
    CloseHandle((HANDLE)(uintptr_t)thread);
#else
    pthread_t made;
    DX_REACTOR_MEMCPY(&made, &thread, sizeof made);
    pthread_join(made, NULL);
#endif
}

/* Record an errno for dx_reactor_sys_errno(). */
static int dx_reactor_p_fail(dx_reactor *r, int system_errno)
{
    DX_REACTOR_ASSERT(system_errno >= 0);
    if (r) r->sys_errno_ = system_errno;
    return DX_REACTOR_ESYS;
}

/* Append to text[0..used), truncating. Returns the new length; a zero byte follows. */
static size_t dx_reactor_p_append(char *text, size_t used, size_t capacity, const char *more)
{
    DX_REACTOR_ASSERT(used < capacity);
    while (*more && used + 1 < capacity) {
        text[used] = *more;
        used++;
        more++;
    }
    text[used] = 0;
    return used;
}

/* Append a number in decimal. */
static size_t dx_reactor_p_append_number(char *text, size_t used, size_t capacity, uint32_t n)
{
    char digits[11]; /* 2^32 - 1 and a zero byte */
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        DX_REACTOR_ASSERT(at > 0);
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return dx_reactor_p_append(text, used, capacity, digits + at);
}

/* Parse the number at *text and advance past it; 0: no number. */
static uint64_t dx_reactor_p_parse_number(const char **text)
{
    uint64_t n = 0;
    for (; **text >= '0' && **text <= '9' && n < UINT32_MAX; ++*text)
        n = n * 10 + (uint64_t)(**text - '0');
    return n;
}

/* Record why the backend being opened is refused: "io_uring_setup: ENOSYS". Returns the errno. */
static int dx_reactor_p_refuse(dx_reactor *r, const char *what, int number)
{
    static const struct {
        int  number;
        char name[12];
    } names[] = {{ENOSYS, "ENOSYS"}, {EPERM, "EPERM"}, {EACCES, "EACCES"}, {EINVAL, "EINVAL"},
                 {ENOMEM, "ENOMEM"}, {EMFILE, "EMFILE"}, {ENFILE, "ENFILE"},
                 {EOPNOTSUPP, "EOPNOTSUPP"}};
    const size_t size = DX_REACTOR_P_TEXT_SIZE;
    const size_t count = sizeof names / sizeof *names;
    char *text = r->refusals_[r->trying_];
    size_t used = dx_reactor_p_append(text, 0, size, what);
    size_t i = 0;
    DX_REACTOR_ASSERT(r->trying_ > 0 && r->trying_ < DX_REACTOR_BACKEND_COUNT);
    while (i < count && names[i].number != number) i++;
    used = dx_reactor_p_append(text, used, size, i < count ? ": " : ": errno ");
    if (i < count) dx_reactor_p_append(text, used, size, names[i].name);
    else dx_reactor_p_append_number(text, used, size, (uint32_t)number);
    r->sys_errno_ = number;
    return number;
}

/* Wake the loop after another thread has published something that it checks before it sleeps. If
   several threads do, one makes the system call. */
static void dx_reactor_p_notify(dx_reactor *r)
{
    int saved = errno; /* may run in a signal handler */
    if (DX_REACTOR_P_LOAD(uint32_t, &r->sleeping_, SEQ_CST) &&
        DX_REACTOR_P_EXCHANGE(uint32_t, &r->sleeping_, 0, SEQ_CST))
        if (r->backend_->wake) r->backend_->wake(r);
    errno = saved;
}

/* 0 or -1: dx_reactor_p_last_errno(). */
static int dx_reactor_p_sockopt(int fd, int level, int name, int value)
{
    return setsockopt(dx_reactor_p_socket_of(fd), level, name, (const char *)&value, sizeof value);
}

#if !defined(__linux__) && !defined(_WIN32)
/* Replaces SOCK_NONBLOCK, SOCK_CLOEXEC and MSG_NOSIGNAL. -1 stays -1. */
static int dx_reactor_p_set_nonblocking(int fd)
{
    if (fd < 0) return fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
#if defined(SO_NOSIGPIPE)
    dx_reactor_p_sockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}
#endif

/* Create a socket, non-blocking and close-on-exec. -1: dx_reactor_p_last_errno(). */
static int dx_reactor_p_make_socket(int family, int type, int protocol)
{
#if defined(_WIN32)
    const DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    SOCKET made;
    do made = WSASocketW(family, type, protocol, NULL, 0, flags);
    while (made == INVALID_SOCKET && WSAGetLastError() == WSANOTINITIALISED &&
           dx_reactor_p_winsock());
    return (int)made; /* INVALID_SOCKET: -1 */
#elif defined(__linux__)
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
#else
    return dx_reactor_p_set_nonblocking(socket(family, type, protocol));
#endif
}

/* shutdown and close_fd of all real backends. */
static int32_t dx_reactor_p_shutdown(dx_reactor *r, int fd)
{
    (void)r; /* 1: SHUT_WR, SD_SEND */
    return shutdown(dx_reactor_p_socket_of(fd), 1) == 0 ? 0 : -dx_reactor_p_last_errno();
}

static int32_t dx_reactor_p_close_fd(dx_reactor *r, int fd)
{
    (void)r;
#if defined(_WIN32)
    if (closesocket(dx_reactor_p_socket_of(fd)) == 0) return 0;
    if (WSAGetLastError() != WSAENOTSOCK) return -dx_reactor_p_last_errno();
    return CloseHandle((HANDLE)(intptr_t)fd) ? 0 : -EBADF;
#else
    return close(fd) == 0 || errno == EINTR ? 0 : -errno; /* closed on EINTR, too */
#endif
}

/* >>memory -------------------------------------------------------------
   desc.memory is divided once, at open. Parts that start as zero come first, for one memset; the
   rest is not touched before its first use:

    | align | pool_ring_ | fds_ | cells_ | buckets_ | holders_ | files_ | events_ | spare_ | pool_ |
            |<-------------------------- zeroed ---------------------->|<------ untouched ------>|
              16 bytes a buffer, on pages of up to 64 KiB: the kernel maps it

   With memory NULL the same code only adds up sizes: dx_reactor_memory_size(). */
enum {
    DX_REACTOR_P_EVENTS = 256,   /* entries of events_; kqueue uses the first half for changes */
    DX_REACTOR_P_BATCH  = 32,    /* events per wait: few enough for more_ and the caches */
    DX_REACTOR_P_ALIGN  = 64,
    DX_REACTOR_P_PAGE   = 65536, /* largest page of any system with io_uring */
    DX_REACTOR_P_LIMIT  = 1 << 24,     /* limit of the fields of a descriptor */
    DX_REACTOR_P_QUEUE_LIMIT = 32768   /* io_uring's limit: entries, buffers of a pool */
};

#if DX_REACTOR_P_KQUEUE
typedef struct kevent dx_reactor_p_event;
#elif defined(__linux__)
typedef struct epoll_event dx_reactor_p_event;
#else
typedef uint64_t dx_reactor_p_event;
#endif

/* The least power of two that is at least n and at least 2. */
static uint32_t dx_reactor_p_power_of_two(uint32_t n)
{
    uint32_t p = 2;
    DX_REACTOR_ASSERT(n <= (uint32_t)1 << 31);
    while (p < n) p *= 2;
    return p;
}

typedef struct dx_reactor_p_files { /* threads for blocking file calls: >>files */
#if !defined(_WIN32)
    pthread_mutex_t lock;  /* protects the fields below */
    pthread_cond_t  lent;  /* signals work or stop */
    uint64_t        threads[DX_REACTOR_FILE_THREADS + 1];
#endif
    dx_op  **ring;  /* queued operations; memory after this struct */
    uint32_t mask;
    uint32_t head;  /* operations taken by a thread */
    uint32_t tail;  /* operations submitted */
    uint32_t count; /* threads started */
    uint32_t limit; /* their maximum; 0: dx_reactor_p_files_open() did not run */
    uint32_t idle;  /* threads waiting for work */
    bool     stop;  /* threads must end */
} dx_reactor_p_files;

enum { DX_REACTOR_P_FILES_RING = 1024 }; /* operations queued for threads */

/* Reserve `count` times `size` bytes; memory NULL: only count them. */
static void *dx_reactor_p_carve(uint8_t *memory, uint64_t *used, uint32_t count, size_t size)
{
    uint8_t *at = memory ? memory + (size_t)*used : NULL;
    DX_REACTOR_ASSERT(*used % 8 == 0);
    *used += ((uint64_t)count * size + 7) / 8 * 8;
    return at;
}

static bool dx_reactor_p_in_range(const dx_reactor_desc *d)
{
    const uint32_t max = DX_REACTOR_P_LIMIT;
    const bool threads = DX_REACTOR_FILE_THREADS > 0 && d->file_threads != DX_REACTOR_NO_THREADS;
    if (threads && d->file_threads > DX_REACTOR_FILE_THREADS) return false;
    return d->descriptors_max <= max && d->posts_max <= max && d->budget <= max &&
           d->completion_entries <= max && d->buffer_size <= max &&
           d->queue_entries <= DX_REACTOR_P_QUEUE_LIMIT &&
           d->buffer_count <= DX_REACTOR_P_QUEUE_LIMIT;
}

/* Slots of the ring of file operations: a power of two. */
static uint32_t dx_reactor_p_files_places(const dx_reactor *r)
{
    uint32_t places = DX_REACTOR_P_FILES_RING;
    if (places > r->pending_max_) places = r->pending_max_;
    return dx_reactor_p_power_of_two(places);
}

/* Defaults and rounding. */
static void dx_reactor_p_defaults(dx_reactor *r, const dx_reactor_desc *d, uint32_t fds)
{
    DX_REACTOR_ASSERT(fds > 0 && fds <= DX_REACTOR_P_LIMIT);
    r->pending_max_ = d->pending_max ? d->pending_max : 16384;
    r->budget_ = d->budget ? d->budget : 256;
    r->post_mask_ = dx_reactor_p_power_of_two(d->posts_max ? d->posts_max : 256) - 1;
    r->bucket_mask_ = dx_reactor_p_power_of_two(fds - fds / 8 * 3) - 1; /* load factor up to 1.6 */
    r->buffers_ = d->buffer_count ? dx_reactor_p_power_of_two(d->buffer_count) : 0;
    r->buffer_size_ = d->buffer_size ? (d->buffer_size + 7) & ~7u : 4096;
    r->buffers_per_op_ = d->buffers_per_op ? d->buffers_per_op : (r->buffers_ + 3) / 4;
}

/* Initialize free lists and sequence numbers. */
static void dx_reactor_p_fill_memory(dx_reactor *r, uint32_t fds)
{
    uint32_t i;
    DX_REACTOR_ASSERT(r->fds_ && r->cells_ && (r->spare_ || !r->buffers_));
    for (i = 0; i <= r->post_mask_; i++) r->cells_[i].sequence = i;
    for (i = 0; i + 1 < fds; i++) r->fds_[i].next = i + 2;
    for (i = 0; i < r->buffers_; i++) r->spare_[i] = (uint16_t)i;
    r->fd_free_ = 1;
}

/* Apply defaults and divide the memory. Returns the bytes needed; 0: a field is out of range.
   memory NULL: writes only *r. */
static size_t dx_reactor_p_plan(dx_reactor *r, const dx_reactor_desc *d, uint8_t *memory)
{
    const uint32_t fds = d->descriptors_max ? d->descriptors_max : 1024;
    const uint32_t align = d->buffer_count ? DX_REACTOR_P_PAGE : DX_REACTOR_P_ALIGN;
    uint64_t used = 0;
    if (!dx_reactor_p_in_range(d)) return 0;
    dx_reactor_p_defaults(r, d, fds);
    DX_REACTOR_ASSERT((r->post_mask_ & (r->post_mask_ + 1)) == 0); /* powers of two minus 1 */
    DX_REACTOR_ASSERT((r->bucket_mask_ & (r->bucket_mask_ + 1)) == 0);
    if (memory) memory += (0 - (uintptr_t)memory) % align;
    r->pool_ring_ = (uint8_t *)dx_reactor_p_carve(memory, &used, r->buffers_, 16);
    r->fds_ = (dx_reactor_p_fd *)dx_reactor_p_carve(memory, &used, fds, sizeof *r->fds_);
    r->cells_ = (dx_reactor_p_cell *)dx_reactor_p_carve(memory, &used, r->post_mask_ + 1,
                                                        sizeof *r->cells_);
    r->buckets_ = (uint32_t *)dx_reactor_p_carve(memory, &used, r->bucket_mask_ + 1, 4);
    r->holders_ = (dx_op **)dx_reactor_p_carve(memory, &used, r->buffers_, sizeof *r->holders_);
    if (DX_REACTOR_FILE_THREADS > 0 && d->file_threads != DX_REACTOR_NO_THREADS) {
        const size_t ring = dx_reactor_p_files_places(r) * sizeof(dx_op *);
        r->files_ = (dx_reactor_p_files *)dx_reactor_p_carve(memory, &used, 1,
                                                             sizeof *r->files_ + ring);
    }
    if (memory) DX_REACTOR_MEMSET(memory, 0, (size_t)used);
    r->events_ = dx_reactor_p_carve(memory, &used, DX_REACTOR_P_EVENTS, sizeof(dx_reactor_p_event));
    r->spare_ = (uint16_t *)dx_reactor_p_carve(memory, &used, r->buffers_, sizeof *r->spare_);
    r->pool_ = (uint8_t *)dx_reactor_p_carve(memory, &used, r->buffers_, r->buffer_size_);
    used += align - 1;
    if ((size_t)used != used) return 0;
    if (memory) dx_reactor_p_fill_memory(r, fds);
    return (size_t)used;
}

/* >>table --------------------------------------------------------------
   The state of descriptors: a hash table of entries. A descriptor has an entry from its first
   operation until it is closed or forgotten; if no backend has it registered, only while operations
   on it are pending.

       buckets_[fd & mask] --> entry --> entry --> 0       (by .next; fds_ is the array of entries)
                                 |
          entry of fd 7          |     lists: circular, through dx_op.next_ and .prev_
          +---------------+
          | READS   ------|--> recv (ACTIVE) <--> recv (WAITING) <--> recv (WAITING)
          | WRITES  ------|--> send (ACTIVE) <--> shutdown (WAITING)
          | OTHERS  ------|--> poll (ACTIVE) <--> pread (ACTIVE)      all at the same time
          | generation 41 |
          +---------------+

   Generations. The kernel reuses the lowest free number, so 7 may be another socket right after a
   close, while events of the old one are still in flight:

       register 7, generation 41 ... close 7 ... accept: 7 again, generation 42
       event (7, 41) arrives:  the entry has 42: dropped, counted in stats.stale_events */

/* The link to the entry of fd, or the empty link at the end of its bucket. */
static uint32_t *dx_reactor_p_fd_slot(dx_reactor *r, int fd)
{
    uint32_t *link = &r->buckets_[(uint32_t)fd & r->bucket_mask_];
    while (*link && r->fds_[*link - 1].fd != fd) link = &r->fds_[*link - 1].next;
    return link;
}

/* Find the entry of fd; NULL: none. */
static dx_reactor_p_fd *dx_reactor_p_fd_find(dx_reactor *r, int fd)
{
    uint32_t index = *dx_reactor_p_fd_slot(r, fd);
    return index ? &r->fds_[index - 1] : NULL;
}

static bool dx_reactor_p_fd_idle(const dx_reactor_p_fd *e)
{
    return !e->lists[DX_REACTOR_P_READS] && !e->lists[DX_REACTOR_P_WRITES] &&
           !e->lists[DX_REACTOR_P_OTHERS];
}

/* Find or create the entry of fd; NULL: the table is full. */
static dx_reactor_p_fd *dx_reactor_p_fd_get(dx_reactor *r, int fd)
{
    uint32_t *link = dx_reactor_p_fd_slot(r, fd);
    dx_reactor_p_fd *e;
    if (*link) return &r->fds_[*link - 1];
    if (!r->fd_free_) return NULL;
    e = &r->fds_[r->fd_free_ - 1];
    *link = r->fd_free_;
    r->fd_free_ = e->next;
    DX_REACTOR_ASSERT(fd >= 0 && dx_reactor_p_fd_idle(e));
    DX_REACTOR_MEMSET(e, 0, sizeof *e);
    e->fd = fd;
    return e;
}

/* Deregister a descriptor from the backend before it is closed. */
static void dx_reactor_p_detach(dx_reactor *r, dx_reactor_p_fd *e)
{
    if (r->backend_->detach && (e->flags & DX_REACTOR_P_FD_REGISTERED)) r->backend_->detach(r, e);
    e->flags &= (uint16_t)~DX_REACTOR_P_FD_REGISTERED;
}

/* Free the entry if nothing needs it. */
static void dx_reactor_p_fd_release(dx_reactor *r, dx_reactor_p_fd *e)
{
    uint32_t *link;
    uint32_t index;
    if (!dx_reactor_p_fd_idle(e) || (e->flags & DX_REACTOR_P_FD_RETRY)) return;
    if ((e->flags & DX_REACTOR_P_FD_REGISTERED) && !(e->flags & DX_REACTOR_P_FD_STREAM))
        dx_reactor_p_detach(r, e); /* only polled: its owner may close it without telling us */
    if (e->flags & DX_REACTOR_P_FD_REGISTERED) return;
    link = dx_reactor_p_fd_slot(r, e->fd);
    index = *link;
    DX_REACTOR_ASSERT(index && &r->fds_[index - 1] == e);
    *link = e->next;
    e->next = r->fd_free_;
    r->fd_free_ = index;
}

/* The system has just returned fd as new: our state of that number belongs
   to a closed descriptor. */
static void dx_reactor_p_fd_fresh(dx_reactor *r, int fd)
{
    dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, fd);
    DX_REACTOR_ASSERT(fd >= 0);
    if (r->ring_.seekable == fd + 1) r->ring_.seekable = 0;
    if (!e || !dx_reactor_p_fd_idle(e)) return;
    e->flags &= DX_REACTOR_P_FD_RETRY;
    dx_reactor_p_fd_release(r, e);
}

/* Schedule the operation (flag STALLED) or its cancel (CANCEL_HELD) for the next retry. */
static void dx_reactor_p_retry_later(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op, uint16_t flag)
{
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE && op->fd_ == e->fd);
    op->flags_ |= flag;
    if (e->flags & DX_REACTOR_P_FD_RETRY) {
        r->retry_file_due_ |= r->fd_retry_file_ != 0; /* e may be in that list */
        return;
    }
    e->flags |= DX_REACTOR_P_FD_RETRY;
    e->retry = r->fd_retry_;
    r->fd_retry_ = (uint32_t)(e - r->fds_) + 1;
}

/* >>queues -------------------------------------------------------------
   Two queues hold undelivered completions. Terminal ones are the operations themselves, in the
   circular list done_, so there is always room. Those with F_MORE are 16 bytes each in the small
   ring more_; while it is full, backends produce no more of them (back-pressure). */

/* Append to a circular list, known by its first element. */
static void dx_reactor_p_list_push(dx_op **first, dx_op *op)
{
    if (!*first) {
        op->next_ = op;
        op->prev_ = op;
        *first = op;
        return;
    }
    DX_REACTOR_ASSERT((*first)->prev_->next_ == *first && op != *first);
    op->next_ = *first;
    op->prev_ = (*first)->prev_;
    op->prev_->next_ = op;
    op->next_->prev_ = op;
}

/* Remove an element from its list. */
static void dx_reactor_p_list_remove(dx_op **first, dx_op *op)
{
    DX_REACTOR_ASSERT(*first && op->next_->prev_ == op && op->prev_->next_ == op);
    if (op->next_ == op) {
        *first = NULL;
        return;
    }
    op->prev_->next_ = op->next_;
    op->next_->prev_ = op->prev_;
    if (*first == op) *first = op->next_;
}

/* The list of its descriptor that an operation belongs to. */
static int dx_reactor_p_side(const dx_op *op)
{
    DX_REACTOR_ASSERT(op->kind_ >= DX_REACTOR_P_ACCEPT && op->kind_ <= DX_REACTOR_P_CLOSE);
    if (op->kind_ <= DX_REACTOR_P_RECVFROM) return DX_REACTOR_P_READS;
    return op->kind_ <= DX_REACTOR_P_SHUTDOWN ? DX_REACTOR_P_WRITES : DX_REACTOR_P_OTHERS;
}

static bool dx_reactor_p_more_room(const dx_reactor *r)
{
    return r->more_count_ < DX_REACTOR_P_MORE_COUNT;
}

static void dx_reactor_p_more_push(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    uint32_t at = (r->more_head_ + r->more_count_) % DX_REACTOR_P_MORE_COUNT;
    DX_REACTOR_ASSERT(dx_reactor_p_more_room(r));
    DX_REACTOR_ASSERT(result >= 0 && (op->flags_ & DX_REACTOR_P_F_MULTISHOT));
    r->more_[at].op = op;
    r->more_[at].result = result;
    r->more_[at].flags = flags | DX_REACTOR_F_MORE;
    r->more_count_++;
}

/* >>timers -------------------------------------------------------------
   A hierarchical timing wheel (Varghese and Lauck 1987) with nanosecond resolution, threaded
   through the operations: no memory, no limit, insert and remove O(1). It has 11 levels of 64
   slots, one level for each 6-bit digit of a 64-bit time:

       timer_base_   digit 10 | ... | digit 2 | digit 1 | digit 0       time that was reached
       a timer's     digit 10 | ... | digit 2 | digit 1 | digit 0
                       equal         DIFFERS                            first difference: level 2,
                                                                        slot: its digit there

       level 0   [0][1][2]...[63]   each slot is one nanosecond
       level 1   [0][1][2]...[63]   64 ns
       level 2   [0][1][2]...[63]   4,096 ns        -- when time reaches a slot, its timers move to
         ...                                           lower levels ("cascade"), in their order
       level 10  [0]...[15]         2^60 ns

   So lower levels are earlier, and a slot of level 0 holds equal times. Moving a timer to a later
   time (dx_reactor_timer_move()) only stores offset_; it stays in its slot until time reaches that.

   In the wheel, fd_ is 64 * level + slot, offset_ the time, and buffer_ a prefetch hint: the timer
   that probably comes a few places later. */
static void dx_reactor_p_timer_link(dx_reactor *r, dx_op *op)
{
    const uint64_t differs = (op->offset_ ^ r->timer_base_) | 1; /* |1: equal is level 0 */
    const uint32_t level = dx_reactor_p_high_bit(differs) / 6;
    const uint32_t digit = op->offset_ >> 6 * level & 63;
    DX_REACTOR_ASSERT(op->offset_ >= r->timer_base_ && level < DX_REACTOR_P_LEVELS);
    op->fd_ = (int32_t)(DX_REACTOR_P_SLOTS * level + digit);
    r->timer_used_[level] |= (uint64_t)1 << digit;
    dx_reactor_p_list_push(&r->timers_[op->fd_], op);
}

/* Insert an operation into the wheel. A time in the past becomes now. */
static void dx_reactor_p_timer_insert(dx_reactor *r, dx_op *op, uint64_t when)
{
    DX_REACTOR_ASSERT(r->timer_base_ <= r->now_);
    op->offset_ = when > r->now_ ? when : r->now_;
    op->state_ = DX_REACTOR_P_TIMING;
    dx_reactor_p_timer_link(r, op);
}

/* Remove an operation from the wheel. fd_ has its current slot, which cascades update. */
static void dx_reactor_p_timer_remove(dx_reactor *r, dx_op *op)
{
    const int32_t slot = op->fd_;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_TIMING && r->timers_[slot]);
    dx_reactor_p_list_remove(&r->timers_[slot], op);
    if (!r->timers_[slot]) r->timer_used_[slot / 64] &= ~((uint64_t)1 << slot % 64);
}

/* The first slot in use, and the time at which it begins. -1: no timers. */
static int32_t dx_reactor_p_timer_slot(const dx_reactor *r, uint64_t *begin)
{
    uint32_t level = 0;
    uint32_t digit;
    while (level < DX_REACTOR_P_LEVELS && !r->timer_used_[level]) level++;
    if (level == DX_REACTOR_P_LEVELS) return -1;
    digit = dx_reactor_p_low_bit(r->timer_used_[level]);
    DX_REACTOR_ASSERT(r->timers_[DX_REACTOR_P_SLOTS * level + digit]);
    *begin = ((r->timer_base_ >> 6 * level & ~(uint64_t)63) | digit) << 6 * level;
    return (int32_t)(64 * level + digit);
}

/* Time has reached a slot: move its timers to lower levels. */
static void dx_reactor_p_timer_cascade(dx_reactor *r, int32_t slot)
{
    dx_op *op = r->timers_[slot];
    dx_op *last = op->prev_;
    dx_op *next;
    DX_REACTOR_ASSERT(last->next_ == op);
    r->timers_[slot] = NULL;
    r->timer_used_[slot / 64] &= ~((uint64_t)1 << slot % 64);
    for (;; op = next) { /* buffer_ is only a hint: it may be outdated */
        next = op->next_;
        DX_REACTOR_P_PREFETCH(op->buffer_);
        dx_reactor_p_timer_link(r, op);
        op->prev_->prev_->prev_->prev_->buffer_ = op;
        if (op == last) break;
    }
}

/* Remove and return the earliest timer that is due at r->now_; NULL: none. */
static dx_op *dx_reactor_p_timer_due(dx_reactor *r)
{
    uint64_t begin = 0;
    int32_t slot;
    while ((slot = dx_reactor_p_timer_slot(r, &begin)) >= 0 && begin <= r->now_) {
        dx_op *op = r->timers_[slot];
        const bool alone = op->next_ == op && op->offset_ <= r->now_ &&
                           (op->offset_ ^ begin) >> slot / 64 * 6 == 0; /* not postponed */
        r->timer_base_ = alone ? op->offset_ : begin;
        if (alone || (slot < DX_REACTOR_P_SLOTS && op->offset_ == begin)) {
            DX_REACTOR_ASSERT(op->offset_ <= r->now_);
            dx_reactor_p_timer_remove(r, op);
            return op;
        }
        dx_reactor_p_timer_cascade(r, slot);
    }
    r->timer_base_ = r->now_; /* all slots before it are empty */
    return NULL;
}

/* The time of the next timer, or an earlier one; UINT64_MAX: no timers. */
static uint64_t dx_reactor_p_timer_next(const dx_reactor *r)
{
    uint64_t begin = 0;
    uint64_t first;
    const int32_t slot = dx_reactor_p_timer_slot(r, &begin);
    const dx_op *op;
    int few;
    if (slot < 0) return UINT64_MAX;
    first = begin | (((uint64_t)1 << slot / 64 * 6) - 1); /* end of the slot */
    op = r->timers_[slot];
    DX_REACTOR_ASSERT(op && first >= begin); /* a marked slot is not empty */
    for (few = 0; few < 16; few++) {
        if (op->offset_ < first) first = op->offset_;
        op = op->next_;
        if (op == r->timers_[slot]) return first;
    }
    return begin; /* more than 16: too early, but O(1) */
}

/* >>pool ---------------------------------------------------------------
   Buffers for recv_multishot, filled on demand, so that idle connections hold none.

       free ----------------> filled, the caller's ----> dx_reactor_return_buffer() ----> free
       spare_ (a stack), or   holders_[id]: the op;
       the kernel's ring      its u_.bytes.size counts them

   An operation that finds no free buffer is PARKED in a FIFO, linked through buffer_ (previous) and
   offset_ (next), and gets the next one. An operation that holds buffers_per_op_ buffers, or one
   with ONESHOT, is PAUSED until some are returned, then parked. With ONESHOT io_uring is asked for
   one buffer at a time. While the pool is on hold, returned buffers wait in spare_ and the kernel
   does not get them; the other backends end a canceled receive at once and need no hold.

   The ring shared with the kernel, pool_ring_, has 16 bytes a buffer; its tail is in the first:

       | address 8 | size 4 | id 2 | tail 2 |  | address 8 | size 4 | id 2 | - |  ...
*/
static bool dx_reactor_p_pooled(const dx_op *op)
{
    return op->kind_ == DX_REACTOR_P_RECV && (op->flags_ & DX_REACTOR_P_F_MULTISHOT);
}

/* Queue an operation for the next free buffer. */
static void dx_reactor_p_park(dx_reactor *r, dx_op *op)
{
    DX_REACTOR_ASSERT(dx_reactor_p_pooled(op) && !(op->flags_ & DX_REACTOR_P_F_PARKED));
    op->flags_ |= DX_REACTOR_P_F_PAUSED | DX_REACTOR_P_F_PARKED;
    op->buffer_ = r->parked_last_;
    op->offset_ = 0;
    if (r->parked_last_) r->parked_last_->offset_ = (uint64_t)(uintptr_t)op;
    else r->parked_first_ = op;
    r->parked_last_ = op;
}

/* Remove an operation from that queue, if it is in it, and clear its pause
   before it is issued or ends. */
static void dx_reactor_p_unpark(dx_reactor *r, dx_op *op)
{
    if (op->flags_ & DX_REACTOR_P_F_PARKED) {
        dx_op *next = (dx_op *)(uintptr_t)op->offset_;
        dx_op *before = (dx_op *)op->buffer_;
        DX_REACTOR_ASSERT(r->parked_first_ && r->parked_last_);
        if (before) before->offset_ = op->offset_;
        else r->parked_first_ = next;
        if (next) next->buffer_ = before;
        else r->parked_last_ = before;
    }
    op->flags_ &= (uint16_t)~(DX_REACTOR_P_F_PAUSED | DX_REACTOR_P_F_PARKED |
                              DX_REACTOR_P_F_STALLED);
}

/* May it fill a buffer now? False: it is paused. */
static bool dx_reactor_p_pool_admit(dx_reactor *r, dx_op *op)
{
    const uint32_t share = op->flags_ & DX_REACTOR_P_F_ONESHOT ? 1 : r->buffers_per_op_;
    DX_REACTOR_ASSERT(dx_reactor_p_pooled(op) && r->held_ <= r->buffers_);
    if (op->u_.bytes.size >= share) op->flags_ |= DX_REACTOR_P_F_PAUSED;
    else if (r->held_ == r->buffers_) dx_reactor_p_park(r, op);
    return !(op->flags_ & DX_REACTOR_P_F_PAUSED);
}

/* The next free buffer, if the kernel does not pick it. */
static uint32_t dx_reactor_p_pool_spare(const dx_reactor *r)
{
    DX_REACTOR_ASSERT(r->held_ < r->buffers_);
    return r->spare_[r->buffers_ - r->held_ - 1];
}

/* Pass a filled buffer to the caller. */
static void dx_reactor_p_pool_deliver(dx_reactor *r, dx_op *op, uint32_t id, int32_t bytes)
{
    DX_REACTOR_ASSERT(dx_reactor_p_pooled(op) && bytes > 0);
    r->holders_[id] = op;
    r->held_++;
    op->u_.bytes.size++;
    dx_reactor_p_more_push(r, op, bytes, DX_REACTOR_F_BUFFER | id << 16);
}

/* A multishot receive ends while the caller holds buffers of it: mark them as orphaned, with the
   reactor's own address as holder. */
static void dx_reactor_p_pool_orphan(dx_reactor *r, dx_op *op)
{
    uint32_t id;
    if (!op->u_.bytes.size) return;
    for (id = 0; id < r->buffers_; id++)
        if (r->holders_[id] == op) r->holders_[id] = (dx_op *)(void *)r;
}

/* Free a buffer that the caller does not hold. */
static void dx_reactor_p_pool_put(dx_reactor *r, uint32_t id)
{
    dx_reactor_p_ring *g = &r->ring_;
    struct {
        uint64_t address;
        uint32_t size;
        uint16_t id;
        uint16_t tail;
    } entry;
    if (!g->pooled) {
        DX_REACTOR_ASSERT(r->held_ < r->buffers_);
        r->spare_[r->buffers_ - r->held_ - 1] = (uint16_t)id;
        return;
    }
    entry.address = (uint64_t)(uintptr_t)(r->pool_ + (size_t)id * r->buffer_size_);
    entry.size = r->buffer_size_;
    entry.id = (uint16_t)id;
    DX_REACTOR_MEMCPY(r->pool_ring_ + 16 * (g->pool_tail & (r->buffers_ - 1)), &entry,
                      14); /* not the tail after it */
    g->pool_tail++;
    __atomic_store_n((uint16_t *)(void *)(r->pool_ring_ + 14), g->pool_tail, __ATOMIC_RELEASE);
}

/* >>finish -------------------------------------------------------------
   Operations change state here and below. The life of one:

       IDLE --start--> WAITING --first of its list--> ACTIVE --dx_reactor_p_end()--> DONE
              |                                                                       |
              +--timer, deadline--> TIMING --due, or its target has ended------------>|
              |                        '--due--> EXPIRED --its target has ended------>|
              '--receive----------> RECEIVING --a message---------------------------->|
                                                                                      v
       IDLE <---------------------- delivered: dx_reactor_p_next() -------------------'

   Code that ends operations of a descriptor must call dx_reactor_p_settle() afterwards, which
   starts the next ones. */

/* Queue a terminal completion. offset_ then holds the result (low half) and the number of
   completions with F_MORE queued before it (high half), which dx_reactor_p_next() uses for the
   order. */
static void dx_reactor_p_queue(dx_reactor *r, dx_op *op, int32_t result)
{
    const uint32_t before = r->more_head_ + r->more_count_;
    DX_REACTOR_ASSERT(op->state_ != DX_REACTOR_P_IDLE && op->state_ != DX_REACTOR_P_DONE);
    op->offset_ = (uint64_t)before << 32 | (uint32_t)result;
    op->state_ = DX_REACTOR_P_DONE;
    r->closes_queued_ += op->kind_ == DX_REACTOR_P_CLOSE;
    dx_reactor_p_list_push(&r->done_, op);
}

/* Queue the terminal completion of an operation that is in no list, followed
   by that of its deadline. */
static void dx_reactor_p_finish(dx_reactor *r, dx_op *op, int32_t result)
{
    dx_op *deadline = NULL;
    if (result == -ECANCELED && (op->flags_ & DX_REACTOR_P_F_TIMED_OUT)) result = -ETIMEDOUT;
    if (dx_reactor_p_pooled(op)) dx_reactor_p_pool_orphan(r, op);
    if (op->flags_ & DX_REACTOR_P_F_LIMITED) deadline = (dx_op *)(uintptr_t)op->offset_;
    op->flags_ &= (uint16_t)~DX_REACTOR_P_F_LIMITED;
    dx_reactor_p_queue(r, op, result);
    if (!deadline) return;
    DX_REACTOR_ASSERT(deadline->kind_ == DX_REACTOR_P_DEADLINE && deadline->u_.target == op);
    if (deadline->state_ == DX_REACTOR_P_TIMING) dx_reactor_p_timer_remove(r, deadline);
    if (result == -ETIMEDOUT && (op->flags_ & DX_REACTOR_P_F_TIMED_OUT))
        dx_reactor_p_queue(r, deadline, 0);
    else
        dx_reactor_p_queue(r, deadline, -ECANCELED);
}

/* End an operation that is in a list of its descriptor. dx_reactor_p_settle() must follow. */
static void dx_reactor_p_end(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op, int32_t result)
{
    DX_REACTOR_ASSERT(e->fd == op->fd_ && op->state_ != DX_REACTOR_P_DONE);
    DX_REACTOR_ASSERT(!(op->flags_ & DX_REACTOR_P_F_PARKED));
    dx_reactor_p_list_remove(&e->lists[dx_reactor_p_side(op)], op);
    dx_reactor_p_finish(r, op, result);
}

#if !defined(_WIN32)
/* Layout of a datagram's system_: the message header, its only iovec, then room for two control
   messages, a time stamp and a segment size. */
enum {
    DX_REACTOR_P_CONTROL = sizeof(struct msghdr) + sizeof(struct iovec),
    DX_REACTOR_P_CONTROL_SIZE = sizeof(((dx_reactor_datagram *)0)->system_) - DX_REACTOR_P_CONTROL
};

/* Fill in the message header of a datagram. */
static void dx_reactor_p_address_message(dx_reactor_datagram *d, bool receiving)
{
    struct msghdr m;
    struct iovec piece;
    DX_REACTOR_ASSERT(d->data || !d->size);
    DX_REACTOR_MEMSET(&m, 0, sizeof m);
    piece.iov_base = d->data;
    piece.iov_len = d->size;
    m.msg_iov = (struct iovec *)(void *)((uint8_t *)d->system_ + sizeof m);
    m.msg_iovlen = 1;
    m.msg_namelen = receiving ? (socklen_t)sizeof d->address.bytes : (socklen_t)d->address.size;
    m.msg_name = m.msg_namelen ? d->address.bytes : NULL;
    if (receiving) {
        d->segment = 0;
        m.msg_control = (uint8_t *)d->system_ + DX_REACTOR_P_CONTROL;
        m.msg_controllen = DX_REACTOR_P_CONTROL_SIZE;
    }
    DX_REACTOR_MEMCPY(d->system_, &m, sizeof m);
    DX_REACTOR_MEMCPY((uint8_t *)d->system_ + sizeof m, &piece, sizeof piece);
}

#if defined(__linux__)
/* The UDP_GRO segment size in the control messages; 0: none. They are aligned to a long, as size_t
   is; CMSG_NXTHDR mixes signs in some C libraries. */
static uint32_t dx_reactor_p_gro_segment(const struct msghdr *m)
{
    const uint8_t *const p = (const uint8_t *)m->msg_control;
    size_t at = 0;
    while (m->msg_controllen - at >= sizeof(struct cmsghdr)) {
        const size_t room = m->msg_controllen - at;
        struct cmsghdr c;
        size_t step;
        int size = 0;
        DX_REACTOR_MEMCPY(&c, p + at, sizeof c);
        if (c.cmsg_len < sizeof c || c.cmsg_len > room) return 0;
        if (c.cmsg_level == IPPROTO_UDP && c.cmsg_type == 104 /* UDP_GRO */ &&
            c.cmsg_len >= CMSG_LEN(sizeof size)) {
            DX_REACTOR_MEMCPY(&size, p + at + CMSG_LEN(0), sizeof size);
            return size > 0 ? (uint32_t)size : 0;
        }
        step = (c.cmsg_len + sizeof(size_t) - 1) / sizeof(size_t) * sizeof(size_t);
        if (step > room) return 0;
        at += step;
    }
    return 0;
}
#endif

/* Complete a received datagram: sender, segment size, truncation. */
static int32_t dx_reactor_p_received(const dx_op *op, int32_t result)
{
    dx_reactor_datagram *d = (dx_reactor_datagram *)op->buffer_;
    struct msghdr m;
    if (op->kind_ != DX_REACTOR_P_RECVFROM || result < 0) return result;
    DX_REACTOR_MEMCPY(&m, d->system_, sizeof m);
    d->address.size = (uint32_t)m.msg_namelen;
#if defined(__linux__)
    d->segment = dx_reactor_p_gro_segment(&m);
    if (d->segment >= (uint32_t)result) d->segment = 0; /* not joined */
#endif
    return (m.msg_flags & MSG_TRUNC) ? -EMSGSIZE : result;
}
#endif

/* Account for the result of one system call or kernel completion. True: the operation has ended,
   with *result. Short sends and writes continue, and reads at an offset until the end of the
   file. */
static bool dx_reactor_p_progress(dx_op *op, int32_t *result)
{
    bool ended = true;
    DX_REACTOR_ASSERT(op->u_.bytes.done <= op->u_.bytes.size || op->kind_ == DX_REACTOR_P_CONNECT);
    if (*result == -EINTR || (*result == -ECONNABORTED && op->kind_ == DX_REACTOR_P_ACCEPT)) {
        ended = false;
    } else if (op->kind_ == DX_REACTOR_P_SEND || op->kind_ == DX_REACTOR_P_WRITE ||
               op->kind_ == DX_REACTOR_P_PREAD || op->kind_ == DX_REACTOR_P_PWRITE) {
        if (*result > 0) op->u_.bytes.done += (uint32_t)*result;
        if (*result > 0 && op->u_.bytes.done < op->u_.bytes.size) ended = false;
        else if (*result >= 0) *result = (int32_t)op->u_.bytes.done;
    } else if (op->kind_ == DX_REACTOR_P_READ && *result > 0) {
        op->u_.bytes.done = (uint32_t)*result;
    }
    if (!ended && (op->flags_ & DX_REACTOR_P_F_CANCEL)) {
        *result = -ECANCELED;
        ended = true;
    }
    return ended;
}

/* Start the waiting operations of a side, until one blocks. */
static void dx_reactor_p_start_waiting(dx_reactor *r, dx_reactor_p_fd *e, int side)
{
    const dx_op *before = side == DX_REACTOR_P_READS ? e->lists[DX_REACTOR_P_WRITES] : NULL;
    dx_op *op;
    DX_REACTOR_ASSERT(side == DX_REACTOR_P_READS || side == DX_REACTOR_P_WRITES);
    if (before && before->kind_ == DX_REACTOR_P_CONNECT) return; /* it owns the error */
    while ((op = e->lists[side]) != NULL && op->state_ == DX_REACTOR_P_WAITING) {
        DX_REACTOR_ASSERT(r->waiting_count_ > 0);
        op->state_ = DX_REACTOR_P_ACTIVE;
        r->waiting_count_--;
        if (op->kind_ == DX_REACTOR_P_SHUTDOWN)
            dx_reactor_p_end(r, e, op, r->backend_->shutdown(r, op->fd_));
        else
            r->backend_->issue(r, e, op);
    }
}

/* After operations of a descriptor were started or ended: start the next ones, perform a pending
   close once nothing else is left, and free the entry if it is unused. *e may be invalid
   afterwards. */
static void dx_reactor_p_settle(dx_reactor *r, dx_reactor_p_fd *e)
{
    dx_reactor_p_start_waiting(r, e, DX_REACTOR_P_READS);
    dx_reactor_p_start_waiting(r, e, DX_REACTOR_P_WRITES);
    if (e->flags & DX_REACTOR_P_FD_CLOSING) {
        dx_op *op = e->lists[DX_REACTOR_P_OTHERS];
        int32_t result;
        if (e->lists[DX_REACTOR_P_READS] || e->lists[DX_REACTOR_P_WRITES] || op->next_ != op)
            return;
        DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_CLOSE);
        dx_reactor_p_detach(r, e);
        if (r->ring_.seekable == e->fd + 1) r->ring_.seekable = 0;
        result = r->backend_->close_fd(r, e->fd);
        e->flags &= DX_REACTOR_P_FD_RETRY;
        dx_reactor_p_end(r, e, op, result);
    }
    dx_reactor_p_fd_release(r, e);
}

/* Cancel an operation in a descriptor's list. dx_reactor_p_settle() must follow. */
static void dx_reactor_p_cancel_one(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_WAITING || op->state_ == DX_REACTOR_P_ACTIVE);
    if (op->kind_ == DX_REACTOR_P_CLOSE) return;
    if (op->state_ == DX_REACTOR_P_WAITING) {
        r->waiting_count_--;
        dx_reactor_p_end(r, e, op, -ECANCELED);
    } else if (op->flags_ & (DX_REACTOR_P_F_PAUSED | DX_REACTOR_P_F_STALLED)) {
        dx_reactor_p_unpark(r, op); /* not in the system */
        dx_reactor_p_end(r, e, op, -ECANCELED);
    } else if (!(op->flags_ & DX_REACTOR_P_F_CANCEL)) {
        op->flags_ |= DX_REACTOR_P_F_CANCEL;
        r->backend_->cancel(r, e, op);
    }
}

/* Cancel all operations of a descriptor. dx_reactor_p_settle() must follow. */
static void dx_reactor_p_cancel_fd(dx_reactor *r, dx_reactor_p_fd *e)
{
    int side;
    for (side = 0; side < DX_REACTOR_P_SIDES; side++) {
        /* Backwards: waiting ones end before the active one, so none of them is started. */
        dx_op *op = e->lists[side] ? e->lists[side]->prev_ : NULL;
        while (op) {
            dx_op *before = op == e->lists[side] ? NULL : op->prev_;
            DX_REACTOR_ASSERT(op->fd_ == e->fd);
            dx_reactor_p_cancel_one(r, e, op);
            op = before;
        }
    }
}

/* Cancel any pending operation. */
static int dx_reactor_p_cancel(dx_reactor *r, dx_op *op)
{
    dx_reactor_p_fd *e;
    switch (op->state_) {
    case DX_REACTOR_P_IDLE:
        return DX_REACTOR_ENOTFOUND;
    case DX_REACTOR_P_DONE:
    case DX_REACTOR_P_EXPIRED:
        return DX_REACTOR_EALREADY;
    case DX_REACTOR_P_TIMING:
        dx_reactor_p_timer_remove(r, op);
        if (op->kind_ == DX_REACTOR_P_DEADLINE)
            op->u_.target->flags_ &= (uint16_t)~DX_REACTOR_P_F_LIMITED;
        break;
    case DX_REACTOR_P_RECEIVING:
        dx_reactor_p_list_remove(&r->receivers_, op);
        break;
    default:
        if (op->kind_ == DX_REACTOR_P_CLOSE) return DX_REACTOR_EALREADY;
        e = dx_reactor_p_fd_find(r, op->fd_);
        DX_REACTOR_ASSERT(e != NULL);
        dx_reactor_p_cancel_one(r, e, op);
        dx_reactor_p_settle(r, e);
        return DX_REACTOR_OK;
    }
    dx_reactor_p_finish(r, op, -ECANCELED);
    return DX_REACTOR_OK;
}

/* Issue the stalled operations of a list of descriptors. */
static void dx_reactor_p_retry_list(dx_reactor *r, uint32_t index)
{
    while (index) {
        dx_reactor_p_fd *e = &r->fds_[index - 1];
        int side;
        DX_REACTOR_ASSERT(e->flags & DX_REACTOR_P_FD_RETRY);
        index = e->retry;
        e->flags &= (uint16_t)~DX_REACTOR_P_FD_RETRY;
        for (side = 0; side < DX_REACTOR_P_SIDES; side++) {
            dx_op *op = e->lists[side];
            dx_op *last = op ? op->prev_ : NULL;
            while (op) {
                dx_op *next = op == last ? NULL : op->next_;
                uint16_t flags = op->flags_;
                op->flags_ &= (uint16_t)~(DX_REACTOR_P_F_STALLED | DX_REACTOR_P_F_CANCEL_HELD);
                if (flags & DX_REACTOR_P_F_STALLED) r->backend_->issue(r, e, op);
                else if (flags & DX_REACTOR_P_F_CANCEL_HELD) r->backend_->cancel(r, e, op);
                op = next;
            }
        }
        dx_reactor_p_settle(r, e);
    }
}

/* Flush each extension that asked for it. */
static void dx_reactor_p_flush(dx_reactor *r)
{
    dx_reactor_extension *x;
    DX_REACTOR_ASSERT(r->flush_due_);
    r->flush_due_ = false;
    r->in_callback_ = true;
    for (x = r->extensions_; x; x = x->next_) {
        if (!x->due_) continue;
        x->due_ = false;
        x->flush(r, x);
    }
    r->in_callback_ = false;
}

/* Issue operations that found no room: a full queue, accepts and sends that used their share of a
   round, no free file thread. If one stalls again, the next call retries it. */
static void dx_reactor_p_retry(dx_reactor *r)
{
    uint32_t index;
    uint32_t later = 0;
    if (r->flush_due_) dx_reactor_p_flush(r);
    index = r->fd_retry_;
    r->fd_retry_ = 0;
    if (r->retry_file_due_) {
        later = r->fd_retry_file_;
        r->fd_retry_file_ = 0;
        r->retry_file_due_ = false;
    }
    dx_reactor_p_retry_list(r, later);
    dx_reactor_p_retry_list(r, index);
}

/* Issue parked operations while buffers are free. */
static void dx_reactor_p_resume(dx_reactor *r)
{
    uint32_t left = r->buffers_ - r->held_;
    while (r->parked_first_ && left--) {
        dx_op *op = r->parked_first_;
        dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, op->fd_);
        DX_REACTOR_ASSERT(e != NULL && op->state_ == DX_REACTOR_P_ACTIVE);
        dx_reactor_p_unpark(r, op);
        r->backend_->issue(r, e, op);
        dx_reactor_p_settle(r, e);
    }
}

#if !defined(_WIN32)
/* Does it have offsets? A file without a type (eventfd, timerfd, inotify) does not, although
   lseek() succeeds on it. */
static bool dx_reactor_p_seekable(int fd)
{
    struct stat file;
    if (lseek(fd, 0, SEEK_CUR) < 0) return errno != ESPIPE;
    if (fstat(fd, &file) != 0) return true; /* EOVERFLOW */
    return S_ISREG(file.st_mode) || S_ISDIR(file.st_mode) || S_ISBLK(file.st_mode) ||
           S_ISCHR(file.st_mode);
}

/* Convert to and from the bits of poll(2). */
static uint32_t dx_reactor_p_poll_mask(uint32_t interest)
{
    return ((interest & DX_REACTOR_READABLE) ? (uint32_t)POLLIN : 0) |
           ((interest & DX_REACTOR_WRITABLE) ? (uint32_t)POLLOUT : 0);
}

static int32_t dx_reactor_p_poll_result(uint32_t mask)
{
    uint32_t result = 0;
    if (mask & POLLNVAL) return -EBADF;
    if (mask & POLLIN) result |= DX_REACTOR_READABLE;
    if (mask & POLLOUT) result |= DX_REACTOR_WRITABLE;
    if (mask & POLLERR) result |= DX_REACTOR_ERROR;
    if (mask & POLLHUP) result |= DX_REACTOR_HUP;
    return (int32_t)result;
}
#endif

#if defined(__linux__)
/* The wake descriptor: an eventfd that io_uring and epoll wait for. Writing to it ends that wait,
   from any thread or signal handler. */
static void dx_reactor_p_ring_wake(dx_reactor *r)
{
    uint64_t one = 1;
    DX_REACTOR_ASSERT(r->wake_fd_ >= 0);
    while (write(r->wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* Clear the wake descriptor. */
static void dx_reactor_p_drain_wake(dx_reactor *r)
{
    uint64_t count;
    DX_REACTOR_ASSERT(r->wake_fd_ >= 0);
    while (read(r->wake_fd_, &count, sizeof count) < 0 && errno == EINTR) {}
}

/* 0 or an errno. */
static int dx_reactor_p_wake_open(dx_reactor *r)
{
    r->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r->wake_fd_ < 0 ? dx_reactor_p_refuse(r, "eventfd", errno) : 0;
}

/* >>io_uring -----------------------------------------------------------
   Two rings in memory shared with the kernel, by raw system calls. Structures and numbers follow
   the kernel's include/uapi/linux/io_uring.h, under names of our own, because installed headers are
   often older than the kernel.

       submissions (64 bytes an entry)                     completions (16 bytes an entry)

         sq_head   sq_tail     tail                          cq_head        cq_tail
            |         |         |                               |              |
       . . [ ] [ ] [ ] [s] [s] [s] . .                     . . [c] [c] [c] [c] . . . .
            |<------->|<------->|                               |<------------>|
            the kernel  filled,                                  to be reaped
            takes them  submitted by the next enter              user_data = the dx_op

       we write: tail, sq_tail, entries, cq_head           the kernel writes: sq_head, cq_tail, ...

   Ownership: the kernel owns an entry from the enter until sq_head has passed it (SUBMIT_STABLE),
   and an operation's buffer, address or datagram until its completion was reaped, even after a
   cancel. A zero-copy send has two completions: of the send (MORE), and of the buffer (NOTIFY); in
   between it is LENT.

   Nothing is lost for lack of room: an operation stalls until the next round (STALLED), a cancel
   too (CANCEL_HELD), and the kernel keeps completions beyond the ring (NODROP) for the next
   enter. */
typedef struct dx_reactor_p_sqe {
    uint8_t  opcode;    /* DX_REACTOR_P_OP_ */
    uint8_t  flags;     /* DX_REACTOR_P_SQE_ */
    uint16_t ioprio;    /* accept, recv, send: multishot, report */
    int32_t  fd;
    uint64_t off;       /* file offset; of connect: size of the address */
    uint64_t addr;      /* bytes, address or message; of a cancel: the operation */
    uint32_t len;
    uint32_t op_flags;  /* msg_flags, accept_flags, poll_events, ... */
    uint64_t user_data; /* the dx_op, or DX_REACTOR_P_TAG_ */
    uint64_t rest[3];
} dx_reactor_p_sqe;

typedef struct dx_reactor_p_cqe {
    uint64_t user_data;
    int32_t  result;
    uint32_t flags;     /* DX_REACTOR_P_CQE_; the upper half: buffer id */
} dx_reactor_p_cqe;

typedef struct dx_reactor_p_params { /* of io_uring_setup(2), in and out */
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd;
    uint32_t reserved[3];
    struct {
        uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved;
        uint64_t user_addr;
    } sq;
    struct {
        uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved;
        uint64_t user_addr;
    } cq;
} dx_reactor_p_params;

typedef struct dx_reactor_p_wait_arg { /* of io_uring_enter(2) with EXT_ARG */
    uint64_t sigmask;
    uint32_t sigmask_size, min_wait_usec;
    uint64_t timespec;
} dx_reactor_p_wait_arg;

typedef char dx_reactor_p_sqe_size[sizeof(dx_reactor_p_sqe) == 64 ? 1 : -1];
typedef char dx_reactor_p_cqe_size[sizeof(dx_reactor_p_cqe) == 16 ? 1 : -1];
typedef char dx_reactor_p_params_size[sizeof(dx_reactor_p_params) == 120 ? 1 : -1];

enum {
    DX_REACTOR_P_OP_NOP = 0, DX_REACTOR_P_OP_FSYNC = 3, DX_REACTOR_P_OP_POLL_ADD = 6,
    DX_REACTOR_P_OP_SENDMSG = 9, DX_REACTOR_P_OP_RECVMSG = 10,
    DX_REACTOR_P_OP_ACCEPT = 13, DX_REACTOR_P_OP_ASYNC_CANCEL = 14, DX_REACTOR_P_OP_CONNECT = 16,
    DX_REACTOR_P_OP_READ = 22, DX_REACTOR_P_OP_WRITE = 23, DX_REACTOR_P_OP_SEND = 26,
    DX_REACTOR_P_OP_RECV = 27, DX_REACTOR_P_OP_SEND_ZC = 47
};

enum {
    /* io_uring_setup(2). */
    DX_REACTOR_P_SETUP_SQPOLL        = 1 << 1,  /* a kernel thread polls for submissions */
    DX_REACTOR_P_SETUP_CQSIZE        = 1 << 3,
    DX_REACTOR_P_SETUP_CLAMP         = 1 << 4,  /* reduce sizes that are too large */
    DX_REACTOR_P_SETUP_R_DISABLED    = 1 << 6,  /* disabled until its thread enables it */
    DX_REACTOR_P_SETUP_SUBMIT_ALL    = 1 << 7,  /* an invalid entry does not stop the others */
    DX_REACTOR_P_SETUP_COOP_TASKRUN  = 1 << 8,  /* completions do not interrupt the thread */
    DX_REACTOR_P_SETUP_TASKRUN_FLAG  = 1 << 9,  /* SQ_TASKRUN: some wait for an enter */
    DX_REACTOR_P_SETUP_SINGLE_ISSUER = 1 << 12, /* one thread submits */
    DX_REACTOR_P_SETUP_DEFER_TASKRUN = 1 << 13, /* and runs completions, in a batch */

    /* Features in its answer. */
    DX_REACTOR_P_FEAT_SINGLE_MMAP    = 1 << 0,
    DX_REACTOR_P_FEAT_NODROP         = 1 << 1,
    DX_REACTOR_P_FEAT_SUBMIT_STABLE  = 1 << 2,
    DX_REACTOR_P_FEAT_RW_CUR_POS     = 1 << 3,  /* offset -1: the stream's position */
    DX_REACTOR_P_FEAT_FAST_POLL      = 1 << 5,  /* sockets wait without a kernel thread */
    DX_REACTOR_P_FEAT_SQPOLL         = 1 << 7,  /* for every user and descriptor */
    DX_REACTOR_P_FEAT_EXT_ARG        = 1 << 8,  /* enter has a timeout: 5.11 */

    /* io_uring_enter(2) and the flags in the ring. */
    DX_REACTOR_P_ENTER_GETEVENTS = 1,
    DX_REACTOR_P_ENTER_SQ_WAKEUP = 2,
    DX_REACTOR_P_ENTER_SQ_WAIT   = 4,
    DX_REACTOR_P_ENTER_EXT_ARG   = 8,
    DX_REACTOR_P_SQ_NEED_WAKEUP  = 1,
    DX_REACTOR_P_SQ_CQ_OVERFLOW  = 2,
    DX_REACTOR_P_SQ_TASKRUN      = 4,

    /* Entries and completions. */
    DX_REACTOR_P_ACCEPT_MULTI      = 1,
    DX_REACTOR_P_RECV_MULTI        = 2,
    DX_REACTOR_P_SEND_REPORT       = 8, /* report whether it copied */
    DX_REACTOR_P_SQE_BUFFER_SELECT = 1 << 5,
    DX_REACTOR_P_CQE_BUFFER        = 1,
    DX_REACTOR_P_CQE_MORE          = 2,
    DX_REACTOR_P_CQE_NOTIFY        = 8,

    /* io_uring_register(2). */
    DX_REACTOR_P_REGISTER_PROBE  = 8,
    DX_REACTOR_P_REGISTER_ENABLE = 12,
    DX_REACTOR_P_REGISTER_POOL   = 22,

    /* mmap(2). */
    DX_REACTOR_P_MAP_RINGS   = 0,
    DX_REACTOR_P_MAP_ENTRIES = 0x10000000
};

/* user_data of entries without an operation; addresses of operations are larger. */
enum { DX_REACTOR_P_TAG_IGNORE = 1, DX_REACTOR_P_TAG_WAKE = 2 };

static uint32_t *dx_reactor_p_at(void *map, uint32_t offset)
{
    return (uint32_t *)(void *)((uint8_t *)map + offset);
}

/* Entries not yet consumed by the kernel. */
static uint32_t dx_reactor_p_uring_unsubmitted(const dx_reactor_p_ring *g)
{
    return g->tail - __atomic_load_n(g->sq_head, __ATOMIC_ACQUIRE);
}

/* Is the completion ring empty? */
static bool dx_reactor_p_uring_empty(const dx_reactor_p_ring *g)
{
    return *g->cq_head == __atomic_load_n(g->cq_tail, __ATOMIC_ACQUIRE);
}

/* With SINGLE_ISSUER the ring belongs to the thread that enables it: the first to use it, which
   need not be the one that opened it. 0 or -errno. */
static int dx_reactor_p_uring_enable(dx_reactor *r)
{
    if (!r->ring_.disabled) return 0;
    if (syscall(DX_REACTOR_P_SYS_REGISTER, (long)r->poll_fd_, (long)DX_REACTOR_P_REGISTER_ENABLE,
                NULL, 0L) < 0)
        return -errno;
    r->ring_.disabled = false;
    return 0;
}

/* io_uring_enter(2): submit filled entries; with GETEVENTS wait for `min` completions. timeout_ns <
   0: no timeout. 0 or -errno; -ETIME counts as 0. */
static int dx_reactor_p_uring_enter(dx_reactor *r, uint32_t min, uint32_t flags,
                                    int64_t timeout_ns)
{
    dx_reactor_p_ring *g = &r->ring_;
    int64_t time[2]; /* seconds and ns, 64 bits each on every architecture */
    dx_reactor_p_wait_arg arg;
    uint32_t count = dx_reactor_p_uring_unsubmitted(g);
    void *extra = NULL;
    size_t extra_size = 0;
    int error = dx_reactor_p_uring_enable(r);
    DX_REACTOR_ASSERT(min == 0 || (flags & DX_REACTOR_P_ENTER_GETEVENTS));
    if (error) return error;
    __atomic_store_n(g->sq_tail, g->tail, __ATOMIC_RELEASE);
    if (g->setup_flags & DX_REACTOR_P_SETUP_SQPOLL) { /* the kernel's thread consumes them */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(g->sq_flags, __ATOMIC_RELAXED) & DX_REACTOR_P_SQ_NEED_WAKEUP)
            flags |= DX_REACTOR_P_ENTER_SQ_WAKEUP;
        if (count == g->sq_count) flags |= DX_REACTOR_P_ENTER_SQ_WAIT;
        if (!flags) return 0;
    }
    if (timeout_ns >= 0 && (flags & DX_REACTOR_P_ENTER_GETEVENTS) && min) {
        DX_REACTOR_MEMSET(&arg, 0, sizeof arg);
        time[0] = timeout_ns / 1000000000;
        time[1] = timeout_ns % 1000000000;
        arg.timespec = (uint64_t)(uintptr_t)time;
        extra = &arg;
        extra_size = sizeof arg;
        flags |= DX_REACTOR_P_ENTER_EXT_ARG;
    }
    r->stats_.system_waits++;
    if (syscall(DX_REACTOR_P_SYS_ENTER, (long)r->poll_fd_, (long)count, (long)min, (long)flags,
                extra, extra_size) >= 0)
        return 0;
    return errno == ETIME ? 0 : -errno;
}

/* A zeroed submission entry; NULL: the queue is full and the kernel consumes nothing now. */
static dx_reactor_p_sqe *dx_reactor_p_uring_entry(dx_reactor *r)
{
    dx_reactor_p_ring *g = &r->ring_;
    dx_reactor_p_sqe *sqe;
    if (dx_reactor_p_uring_unsubmitted(g) == g->sq_count) {
        dx_reactor_p_uring_enter(r, 0, 0, -1);
        if (dx_reactor_p_uring_unsubmitted(g) == g->sq_count) return NULL;
    }
    sqe = (dx_reactor_p_sqe *)g->entries + (g->tail & g->sq_mask);
    g->tail++;
    DX_REACTOR_MEMSET(sqe, 0, sizeof *sqe);
    return sqe;
}

/* A poll mask in the format of an entry. */
static uint32_t dx_reactor_p_uring_poll_bits(uint32_t mask)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return mask << 16 | mask >> 16; /* the kernel's older 16-bit field kept its place */
#else
    return mask;
#endif
}

enum { /* fields used by an operation */
    DX_REACTOR_P_HAS_BYTES    = 1,
    DX_REACTOR_P_HAS_POSITION = 2, /* the stream's own */
    DX_REACTOR_P_HAS_OFFSET   = 4,
    DX_REACTOR_P_HAS_MESSAGE  = 8,
    DX_REACTOR_P_HAS_ADDRESS  = 16
};

static const struct {
    uint8_t  opcode;   /* DX_REACTOR_P_OP_ */
    uint8_t  has;      /* DX_REACTOR_P_HAS_ */
    uint32_t op_flags;
} dx_reactor_p_uring_kinds[] = { /* by dx_op.kind_; the first is cancel */
    {DX_REACTOR_P_OP_ASYNC_CANCEL, 0, 0},
    {DX_REACTOR_P_OP_ACCEPT, 0, SOCK_CLOEXEC | SOCK_NONBLOCK},
    {DX_REACTOR_P_OP_RECV, DX_REACTOR_P_HAS_BYTES, 0},
    {DX_REACTOR_P_OP_READ, DX_REACTOR_P_HAS_BYTES | DX_REACTOR_P_HAS_POSITION, 0},
    {DX_REACTOR_P_OP_RECVMSG, DX_REACTOR_P_HAS_MESSAGE, MSG_NOSIGNAL},
    {DX_REACTOR_P_OP_CONNECT, DX_REACTOR_P_HAS_ADDRESS, 0},
    {DX_REACTOR_P_OP_SEND, DX_REACTOR_P_HAS_BYTES, MSG_NOSIGNAL | MSG_WAITALL},
    {DX_REACTOR_P_OP_WRITE, DX_REACTOR_P_HAS_BYTES | DX_REACTOR_P_HAS_POSITION, 0},
    {DX_REACTOR_P_OP_SENDMSG, DX_REACTOR_P_HAS_MESSAGE, MSG_NOSIGNAL},
    {DX_REACTOR_P_OP_NOP, 0, 0}, /* shutdown is a system call */
    {DX_REACTOR_P_OP_POLL_ADD, 0, 0},
    {DX_REACTOR_P_OP_READ, DX_REACTOR_P_HAS_BYTES | DX_REACTOR_P_HAS_OFFSET, 0},
    {DX_REACTOR_P_OP_WRITE, DX_REACTOR_P_HAS_BYTES | DX_REACTOR_P_HAS_OFFSET, 0},
    {DX_REACTOR_P_OP_FSYNC, 0, 0}};

/* Fill in the entry of an operation, without what it has moved already. */
static void dx_reactor_p_uring_fill(const dx_reactor *r, dx_reactor_p_sqe *s, const dx_op *op)
{
    const uint8_t has = dx_reactor_p_uring_kinds[op->kind_].has;
    const uint32_t done = op->u_.bytes.done;
    DX_REACTOR_ASSERT(op->kind_ <= DX_REACTOR_P_FSYNC && op->kind_ != DX_REACTOR_P_SHUTDOWN);
    s->opcode = dx_reactor_p_uring_kinds[op->kind_].opcode;
    s->op_flags = dx_reactor_p_uring_kinds[op->kind_].op_flags;
    s->fd = op->fd_;
    s->user_data = (uint64_t)(uintptr_t)op;
    s->addr = (uint64_t)(uintptr_t)op->buffer_;
    if (has & DX_REACTOR_P_HAS_BYTES) {
        s->addr += done;
        s->len = op->u_.bytes.size - done;
    }
    if (has & DX_REACTOR_P_HAS_POSITION) s->off = UINT64_MAX;
    if (has & DX_REACTOR_P_HAS_OFFSET) s->off = op->offset_ + done;
    if (has & DX_REACTOR_P_HAS_ADDRESS) s->off = op->u_.bytes.size;
    if (has & DX_REACTOR_P_HAS_MESSAGE) {
        s->addr = (uint64_t)(uintptr_t)((dx_reactor_datagram *)op->buffer_)->system_;
        s->len = 1;
    }
    if (op->kind_ == DX_REACTOR_P_FSYNC) s->op_flags = op->u_.bytes.size;
    if (op->kind_ == DX_REACTOR_P_POLL)
        s->op_flags = dx_reactor_p_uring_poll_bits(dx_reactor_p_poll_mask(op->u_.bytes.size));
    if (op->flags_ & DX_REACTOR_P_F_ZERO_COPY) {
        s->opcode = DX_REACTOR_P_OP_SEND_ZC;
        s->ioprio = DX_REACTOR_P_SEND_REPORT;
    }
    if (!(op->flags_ & DX_REACTOR_P_F_MULTISHOT)) return;
    s->addr = s->len = 0;
    if (op->kind_ == DX_REACTOR_P_RECV) {
        if (!(op->flags_ & DX_REACTOR_P_F_ONESHOT)) s->ioprio = DX_REACTOR_P_RECV_MULTI;
        s->flags = DX_REACTOR_P_SQE_BUFFER_SELECT;
    } else if (!r->ring_.no_multishot && !(op->flags_ & DX_REACTOR_P_F_ONESHOT)) {
        s->ioprio = DX_REACTOR_P_ACCEPT_MULTI;
    }
}

/* The kernel ignores the offset on a stream and would wait for data, so check that the descriptor
   is seekable. Cached while something is pending on it, and for the last one checked. */
static bool dx_reactor_p_uring_seekable(dx_reactor *r, dx_reactor_p_fd *e)
{
    if (!(e->flags & DX_REACTOR_P_FD_SEEKABLE) && r->ring_.seekable != e->fd + 1 &&
        !dx_reactor_p_seekable(e->fd))
        return false;
    e->flags |= DX_REACTOR_P_FD_SEEKABLE;
    r->ring_.seekable = e->fd + 1;
    return true;
}

/* Submit the operation, or a poll if it must wait for readiness first. */
static void dx_reactor_p_uring_issue(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    const bool at = op->kind_ == DX_REACTOR_P_PREAD || op->kind_ == DX_REACTOR_P_PWRITE;
    dx_reactor_p_sqe *s;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE && !(op->flags_ & DX_REACTOR_P_F_LENT));
    if (at && !dx_reactor_p_uring_seekable(r, e)) {
        dx_reactor_p_end(r, e, op, -ESPIPE);
        return;
    }
    s = dx_reactor_p_uring_entry(r);
    if (!s) {
        dx_reactor_p_retry_later(r, e, op, DX_REACTOR_P_F_STALLED);
    } else if (op->flags_ & DX_REACTOR_P_F_POLLING) {
        bool reads = dx_reactor_p_side(op) == DX_REACTOR_P_READS;
        s->opcode = DX_REACTOR_P_OP_POLL_ADD;
        s->fd = op->fd_;
        s->op_flags = dx_reactor_p_uring_poll_bits(reads ? POLLIN : POLLOUT);
        s->user_data = (uint64_t)(uintptr_t)op;
    } else {
        dx_reactor_p_uring_fill(r, s, op);
    }
}

/* Cancel a send whose buffer the kernel holds. On a stream it may hold it until the peer has
   acknowledged the data, possibly forever: resetting the connection releases it. Datagrams are
   released without help. */
static void dx_reactor_p_uring_reclaim(const dx_op *op)
{
    struct sockaddr none;
    socklen_t size = sizeof(int);
    int type = 0;
    DX_REACTOR_ASSERT(op->flags_ & DX_REACTOR_P_F_LENT);
    if (getsockopt(op->fd_, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return;
    DX_REACTOR_MEMSET(&none, 0, sizeof none); /* AF_UNSPEC: disconnect */
    connect(op->fd_, &none, sizeof none);
}

/* Ask the kernel to cancel an operation; its own completion reports the outcome. */
static void dx_reactor_p_uring_cancel(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    dx_reactor_p_sqe *s;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE);
    if (op->flags_ & DX_REACTOR_P_F_LENT) { /* the send is over, its buffer is not */
        dx_reactor_p_uring_reclaim(op);
        return;
    }
    s = dx_reactor_p_uring_entry(r);
    if (!s) {
        dx_reactor_p_retry_later(r, e, op, DX_REACTOR_P_F_CANCEL_HELD);
        return;
    }
    s->opcode = DX_REACTOR_P_OP_ASYNC_CANCEL;
    s->fd = -1;
    s->addr = (uint64_t)(uintptr_t)op;
    s->user_data = DX_REACTOR_P_TAG_IGNORE;
}

/* Process a completion of a multishot accept. True: the operation has ended, with *result. */
static bool dx_reactor_p_uring_accepted(dx_reactor *r, dx_op *op, int32_t *result)
{
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_ACCEPT);
    if (*result >= 0) {
        if (op->flags_ & DX_REACTOR_P_F_ONESHOT) r->ring_.no_multishot = true;
        dx_reactor_p_more_push(r, op, *result, 0);
    } else if (*result == -EINVAL && !r->ring_.no_multishot &&
               !(op->flags_ & DX_REACTOR_P_F_ONESHOT)) {
        op->flags_ |= DX_REACTOR_P_F_ONESHOT; /* kernel before 5.19, or really invalid: find out */
    } else if (*result == -EAGAIN) {
        op->flags_ |= DX_REACTOR_P_F_POLLING; /* non-blocking listener before 6.1 */
    } else {
        return dx_reactor_p_progress(op, result);
    }
    return false;
}

/* The same for a multishot receive. The kernel fills buffers as long as there are some, so an
   operation that holds its share is canceled, and issued again later. */
static bool dx_reactor_p_uring_received(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op,
                                        int32_t *result, uint32_t flags)
{
    const int32_t code = *result;
    DX_REACTOR_ASSERT(dx_reactor_p_pooled(op) && r->ring_.pooled);
    if ((flags & DX_REACTOR_P_CQE_BUFFER) && code > 0)
        dx_reactor_p_pool_deliver(r, op, flags >> 16, code);
    else if (flags & DX_REACTOR_P_CQE_BUFFER)
        dx_reactor_p_pool_put(r, flags >> 16);
    if (flags & DX_REACTOR_P_CQE_MORE) {
        if (op->u_.bytes.size == r->buffers_per_op_) dx_reactor_p_uring_cancel(r, e, op);
        return false;
    }
    if (code <= 0 && code != -ENOBUFS && code != -EAGAIN && code != -EINTR && code != -ECANCELED)
        return true;
    *result = -ECANCELED;
    if (op->flags_ & DX_REACTOR_P_F_CANCEL) return true;
    if (code == -EAGAIN) op->flags_ |= DX_REACTOR_P_F_POLLING;
    if (code == -ENOBUFS) dx_reactor_p_park(r, op);
    else if (dx_reactor_p_pool_admit(r, op)) dx_reactor_p_uring_issue(r, e, op);
    return false;
}

/* The same for a zero-copy send, which has two: of the send, and, if that has MORE, of its buffer.
   In between, the result of the send is in .done, or an error in .size, which is then unused. */
static bool dx_reactor_p_uring_sent(dx_reactor *r, dx_op *op, int32_t *result, uint32_t flags)
{
    const uint16_t plain = (uint16_t)~(DX_REACTOR_P_F_ZERO_COPY | DX_REACTOR_P_F_UNCOPIED);
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_SEND);
    if (flags & DX_REACTOR_P_CQE_NOTIFY) {
        const uint32_t size = op->u_.bytes.size;
        const uint32_t done = op->u_.bytes.done;
        op->flags_ &= (uint16_t)~DX_REACTOR_P_F_LENT;
        if (*result < 0) op->flags_ &= plain; /* it copied after all: send the rest plainly */
        else if (op->flags_ & DX_REACTOR_P_F_ZERO_COPY) op->flags_ |= DX_REACTOR_P_F_UNCOPIED;
        *result = (int32_t)(size > INT32_MAX ? size : done);
        if ((op->flags_ & DX_REACTOR_P_F_CANCEL) && size <= INT32_MAX) *result = -ECANCELED;
        return size > INT32_MAX || size == done || (op->flags_ & DX_REACTOR_P_F_CANCEL);
    }
    if (*result == -EINVAL || *result == -EOPNOTSUPP) {
        if (*result == -EINVAL) r->ring_.no_reports = true;
        op->flags_ &= plain;
    } else if (*result == -EAGAIN) {
        op->flags_ |= DX_REACTOR_P_F_POLLING;
    } else if (dx_reactor_p_progress(op, result)) {
        if (!(flags & DX_REACTOR_P_CQE_MORE)) return true;
        if (*result < 0) op->u_.bytes.size = (uint32_t)*result;
    }
    if (flags & DX_REACTOR_P_CQE_MORE) {
        op->flags_ |= DX_REACTOR_P_F_LENT;
        if (op->flags_ & DX_REACTOR_P_F_CANCEL) dx_reactor_p_uring_reclaim(op);
    }
    return false;
}

/* The same for a connect. An interrupted one continues in the kernel, so the retry may find it
   pending or established. */
static bool dx_reactor_p_uring_connected(dx_op *op, int32_t *result)
{
    const bool again = op->u_.bytes.done != 0;
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_CONNECT);
    if (again && *result == -EISCONN) *result = 0;
    if (again && (*result == -EALREADY || *result == -EINPROGRESS)) {
        op->flags_ |= DX_REACTOR_P_F_POLLING;
        return false;
    }
    op->u_.bytes.done = 1;
    return dx_reactor_p_progress(op, result);
}

/* Process a kernel completion. True: the operation has ended, with *result. */
static bool dx_reactor_p_uring_complete(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op,
                                     int32_t *result, uint32_t flags)
{
    bool stream = dx_reactor_p_side(op) != DX_REACTOR_P_OTHERS;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE && op->fd_ == e->fd);
    /* The kernel also cancels unasked: operations of a thread that has ended, and those for which a
       signal kept it from creating a worker. Issue them again. */
    if (*result == -ECANCELED && !(op->flags_ & DX_REACTOR_P_F_CANCEL)) *result = -EINTR;
    if ((op->flags_ & DX_REACTOR_P_F_LENT) ||
        (op->flags_ & (DX_REACTOR_P_F_ZERO_COPY | DX_REACTOR_P_F_POLLING)) ==
            DX_REACTOR_P_F_ZERO_COPY) {
        if (dx_reactor_p_uring_sent(r, op, result, flags)) return true;
        if (op->flags_ & DX_REACTOR_P_F_LENT) return false;
    } else if (op->flags_ & DX_REACTOR_P_F_POLLING) {
        op->flags_ &= (uint16_t)~DX_REACTOR_P_F_POLLING;
        if (*result < 0 && *result != -EINTR) return true;
    } else if (dx_reactor_p_pooled(op)) {
        return dx_reactor_p_uring_received(r, e, op, result, flags);
    } else if (op->kind_ == DX_REACTOR_P_POLL && *result >= 0) {
        *result = dx_reactor_p_poll_result((uint32_t)*result);
        return true;
    } else if (op->flags_ & DX_REACTOR_P_F_MULTISHOT) {
        if (dx_reactor_p_uring_accepted(r, op, result)) return true;
        if (flags & DX_REACTOR_P_CQE_MORE) return false;
    } else if (op->kind_ == DX_REACTOR_P_CONNECT) {
        if (dx_reactor_p_uring_connected(op, result)) return true;
    } else if (*result == -EAGAIN && stream) {
        op->flags_ |= DX_REACTOR_P_F_POLLING;
    } else {
        *result = dx_reactor_p_received(op, *result);
        if (dx_reactor_p_progress(op, result)) return true;
    }
    if (op->flags_ & DX_REACTOR_P_F_CANCEL) {
        *result = -ECANCELED;
        return true;
    }
    dx_reactor_p_uring_issue(r, e, op);
    return false;
}

/* Process completions while more_ has room. True: there were some. */
static bool dx_reactor_p_uring_reap(dx_reactor *r)
{
    dx_reactor_p_ring *g = &r->ring_;
    const uint32_t first = *g->cq_head;
    uint32_t head = first;
    while (head != __atomic_load_n(g->cq_tail, __ATOMIC_ACQUIRE) && dx_reactor_p_more_room(r)) {
        dx_reactor_p_cqe cqe;
        DX_REACTOR_MEMCPY(&cqe, g->cq_entries + (size_t)(head & g->cq_mask) * sizeof cqe,
                          sizeof cqe);
        head++;
        __atomic_store_n(g->cq_head, head, __ATOMIC_RELEASE); /* the kernel may reuse the entry */
        if (cqe.user_data == DX_REACTOR_P_TAG_WAKE) {
            g->wake_armed--;
            dx_reactor_p_drain_wake(r);
        } else if (cqe.user_data > DX_REACTOR_P_TAG_WAKE) {
            dx_op *op = (dx_op *)(uintptr_t)cqe.user_data;
            dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, op->fd_);
            DX_REACTOR_ASSERT(e != NULL && op->state_ == DX_REACTOR_P_ACTIVE);
            if (op->kind_ == DX_REACTOR_P_ACCEPT && cqe.result >= 0)
                dx_reactor_p_fd_fresh(r, cqe.result);
            if (dx_reactor_p_uring_complete(r, e, op, &cqe.result, cqe.flags))
                dx_reactor_p_end(r, e, op, cqe.result);
            dx_reactor_p_settle(r, e);
        }
    }
    return head != first;
}

/* Backend's submit. If the ring is full or the call interrupted, the next
   enter submits the rest. */
static int dx_reactor_p_uring_submit(dx_reactor *r)
{
    int error = 0;
    if (dx_reactor_p_uring_unsubmitted(&r->ring_)) error = dx_reactor_p_uring_enter(r, 0, 0, -1);
    return error == -EBUSY || error == -EAGAIN || error == -EINTR ? 0 : error;
}

/* The number of completions that one call may wait for. A batch must not delay a completion that
   leads to more work: so one at a time while operations wait for others; otherwise the call times
   out after a few milliseconds, doubled each time, so that none is found later than twice its time.
   A wake completes all polls of the wake descriptor; there are as many as the batch has
   completions, so it ends the wait. */
static uint32_t dx_reactor_p_uring_batch(dx_reactor *r, uint32_t min, int64_t *timeout_ns)
{
    dx_reactor_p_ring *g = &r->ring_;
    uint32_t several = DX_REACTOR_P_BATCH_MAX;
    DX_REACTOR_ASSERT(min >= 1 && *timeout_ns != 0);
    if (several > min) several = min;
    if (several > g->cq_mask) several = g->cq_mask;
    if (several <= 1 || r->waiting_count_ || !(g->features & DX_REACTOR_P_FEAT_EXT_ARG)) {
        several = 1;
    } else if (*timeout_ns < 0 || (uint64_t)*timeout_ns > r->batch_wait_ns_) {
        *timeout_ns = (int64_t)r->batch_wait_ns_;
        r->batch_wait_ns_ *= 2;
    }
    while (g->wake_armed < several) {
        dx_reactor_p_sqe *s = dx_reactor_p_uring_entry(r);
        if (!s) return g->wake_armed;
        s->opcode = DX_REACTOR_P_OP_POLL_ADD;
        s->fd = r->wake_fd_;
        s->op_flags = dx_reactor_p_uring_poll_bits(POLLIN);
        s->user_data = DX_REACTOR_P_TAG_WAKE;
        g->wake_armed++;
    }
    return several;
}

/* Wait for `min` completions. 0 or -errno; -EINTR: a signal. */
static int dx_reactor_p_uring_sleep(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    uint64_t end = timeout_ns < 0 ? UINT64_MAX : dx_reactor_p_clock(r) + (uint64_t)timeout_ns;
    struct pollfd ring;
    int error;
    DX_REACTOR_ASSERT(min >= 1 && timeout_ns != 0);
    if (timeout_ns < 0 || (r->ring_.features & DX_REACTOR_P_FEAT_EXT_ARG)) {
        error = dx_reactor_p_uring_enter(r, min, DX_REACTOR_P_ENTER_GETEVENTS, timeout_ns);
    } else { /* before 5.11: poll the ring's descriptor */
        ring.fd = r->poll_fd_;
        ring.events = POLLIN;
        error = dx_reactor_p_uring_enter(r, 0, DX_REACTOR_P_ENTER_GETEVENTS, -1);
        if (error == 0 && poll(&ring, 1, dx_reactor_p_milliseconds(timeout_ns)) < 0)
            error = -errno;
    }
    /* A wait that submitted and was interrupted returns the number submitted, not EINTR. */
    if (error == 0 && dx_reactor_p_uring_empty(&r->ring_) && dx_reactor_p_clock(r) < end)
        error = -EINTR;
    return error;
}

/* Backend's wait: sleeps only if the ring is empty; enters without sleeping if the kernel has
   deferred work or there is something to submit. */
static int dx_reactor_p_uring_wait(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    const uint32_t urgent = DX_REACTOR_P_SQ_CQ_OVERFLOW | DX_REACTOR_P_SQ_TASKRUN;
    dx_reactor_p_ring *g = &r->ring_;
    uint32_t flags = __atomic_load_n(g->sq_flags, __ATOMIC_RELAXED) & urgent;
    int error = 0;
    if (flags & DX_REACTOR_P_SQ_CQ_OVERFLOW) r->stats_.overflows++;
    if ((flags & DX_REACTOR_P_SQ_CQ_OVERFLOW) || !dx_reactor_p_uring_empty(g)) timeout_ns = 0;
    if (timeout_ns != 0) min = dx_reactor_p_uring_batch(r, min, &timeout_ns);
    if (timeout_ns != 0 && min)
        error = dx_reactor_p_uring_sleep(r, min, timeout_ns);
    else if (flags || dx_reactor_p_uring_unsubmitted(g))
        error = dx_reactor_p_uring_enter(r, 0, DX_REACTOR_P_ENTER_GETEVENTS, -1);
    dx_reactor_p_uring_reap(r);
    return error == -EBUSY || error == -EAGAIN ? 0 : error; /* it was full, and has been reaped */
}

/* Backend's close, also of a partly created ring. */
static void dx_reactor_p_uring_close(dx_reactor *r)
{
    dx_reactor_p_ring *g = &r->ring_;
    if (g->map_size) munmap(g->entries, g->entries_size); /* MAP_FAILED: harmless */
    if (g->map_size) munmap(g->map, g->map_size);
    if (r->poll_fd_ >= 0) close(r->poll_fd_);
    r->poll_fd_ = -1;
    DX_REACTOR_MEMSET(g, 0, sizeof *g);
}

/* io_uring_setup(2) with the newest flags that the kernel accepts, from `step` of the ladder on,
   and with half the size for as long as memory is short. 0 or an errno, as the functions below. */
static int dx_reactor_p_uring_setup(dx_reactor *r, dx_reactor_p_params *p, uint32_t entries,
                                    uint32_t completions, uint32_t step)
{
    const bool sqpoll = r->ring_.sqpoll_idle_ms != 0;
    uint32_t needed = DX_REACTOR_P_FEAT_SINGLE_MMAP | DX_REACTOR_P_FEAT_NODROP |
                      DX_REACTOR_P_FEAT_SUBMIT_STABLE | DX_REACTOR_P_FEAT_RW_CUR_POS |
                      DX_REACTOR_P_FEAT_FAST_POLL;
    static const uint32_t ladder[] = {
        DX_REACTOR_P_SETUP_SUBMIT_ALL | DX_REACTOR_P_SETUP_SINGLE_ISSUER |
            DX_REACTOR_P_SETUP_R_DISABLED | DX_REACTOR_P_SETUP_DEFER_TASKRUN |
            DX_REACTOR_P_SETUP_TASKRUN_FLAG,                                    /* 6.1 */
        DX_REACTOR_P_SETUP_SUBMIT_ALL | DX_REACTOR_P_SETUP_COOP_TASKRUN |
            DX_REACTOR_P_SETUP_TASKRUN_FLAG,                                    /* 5.19 */
        DX_REACTOR_P_SETUP_SUBMIT_ALL,                                          /* 5.18 */
        0};                                                                     /* 5.6 */
    if (sqpoll) needed |= DX_REACTOR_P_FEAT_SQPOLL;
    for (;;) {
        DX_REACTOR_MEMSET(p, 0, sizeof *p);
        p->flags = ladder[step] | DX_REACTOR_P_SETUP_CQSIZE | DX_REACTOR_P_SETUP_CLAMP;
        if (sqpoll) p->flags |= DX_REACTOR_P_SETUP_SQPOLL;
        p->sq_thread_idle = r->ring_.sqpoll_idle_ms;
        p->cq_entries = completions < entries ? entries : completions;
        r->poll_fd_ = (int)syscall(DX_REACTOR_P_SYS_SETUP, (long)entries, p);
        if (r->poll_fd_ >= 0 && (p->features & needed) == needed) return 0;
        if (r->poll_fd_ >= 0)
            return dx_reactor_p_refuse(r, sqpoll ? "SQPOLL of a kernel before 5.11"
                                                 : "io_uring of a kernel before 5.7", ENOSYS);
        if (errno == EINVAL && step + 1 < sizeof ladder / sizeof *ladder) {
            step++;
        } else if (errno == ENOMEM && entries > 1) { /* such as RLIMIT_MEMLOCK */
            entries /= 2;
            completions = completions > 2 ? completions / 2 : 2;
        } else {
            return dx_reactor_p_refuse(r, sqpoll ? "io_uring_setup with SQPOLL" : "io_uring_setup",
                                       errno);
        }
    }
}

/* Map the rings that io_uring_setup() created. 0 or an errno. */
static int dx_reactor_p_uring_map(dx_reactor *r, const dx_reactor_p_params *p)
{
    dx_reactor_p_ring *g = &r->ring_;
    const size_t sq_size = p->sq.array + (size_t)p->sq_entries * sizeof(uint32_t);
    const size_t cq_size = p->cq.cqes + (size_t)p->cq_entries * sizeof(dx_reactor_p_cqe);
    const int both = PROT_READ | PROT_WRITE;
    uint32_t i;
    g->map_size = sq_size > cq_size ? sq_size : cq_size;
    g->entries_size = (size_t)p->sq_entries * sizeof(dx_reactor_p_sqe);
    g->map = mmap(NULL, g->map_size, both, MAP_SHARED, r->poll_fd_, DX_REACTOR_P_MAP_RINGS);
    g->entries = mmap(NULL, g->entries_size, both, MAP_SHARED, r->poll_fd_,
                      DX_REACTOR_P_MAP_ENTRIES);
    if (g->map == MAP_FAILED || g->entries == MAP_FAILED)
        return dx_reactor_p_refuse(r, "mmap of io_uring", errno);
    g->sq_head = dx_reactor_p_at(g->map, p->sq.head);
    g->sq_tail = dx_reactor_p_at(g->map, p->sq.tail);
    g->sq_flags = dx_reactor_p_at(g->map, p->sq.flags);
    g->sq_array = dx_reactor_p_at(g->map, p->sq.array);
    g->cq_head = dx_reactor_p_at(g->map, p->cq.head);
    g->cq_tail = dx_reactor_p_at(g->map, p->cq.tail);
    g->cq_entries = (uint8_t *)g->map + p->cq.cqes;
    g->sq_mask = *dx_reactor_p_at(g->map, p->sq.ring_mask);
    g->cq_mask = *dx_reactor_p_at(g->map, p->cq.ring_mask);
    g->sq_count = p->sq_entries;
    g->tail = *g->sq_tail;
    g->features = p->features;
    g->setup_flags = p->flags;
    g->disabled = (p->flags & DX_REACTOR_P_SETUP_R_DISABLED) != 0;
    for (i = 0; i < p->sq_entries; i++) g->sq_array[i] = i;
    return 0;
}

/* Check that the kernel implements our operations. 0 or an errno. The answer: 16 bytes, then 8 per
   opcode: u8 opcode, u8, u16 flags, u32. No answer counts as none. */
static int dx_reactor_p_uring_probe(dx_reactor *r)
{
    enum { HEAD = 8, EACH = 4, FLAGS = 1, KNOWN = 1, OPCODES = 64 }; /* in u16 */
    uint16_t probe[HEAD + EACH * OPCODES];
    size_t i;
    DX_REACTOR_MEMSET(probe, 0, sizeof probe);
    syscall(DX_REACTOR_P_SYS_REGISTER, (long)r->poll_fd_, (long)DX_REACTOR_P_REGISTER_PROBE, probe,
            (long)OPCODES);
    for (i = 0; i < sizeof dx_reactor_p_uring_kinds / sizeof *dx_reactor_p_uring_kinds; i++)
        if (!(probe[HEAD + EACH * dx_reactor_p_uring_kinds[i].opcode + FLAGS] & KNOWN))
            return dx_reactor_p_refuse(r, "io_uring_register: operations are missing", EOPNOTSUPP);
    r->ring_.zero_copy = probe[HEAD + EACH * (int)DX_REACTOR_P_OP_SEND_ZC + FLAGS] & KNOWN;
    return 0;
}

/* Register the pool with the kernel. Multishot receive came in 6.0 together with zero-copy send,
   which the probe reports. */
static int dx_reactor_p_uring_pool(dx_reactor *r)
{
    const char *what = "io_uring without multishot receives into a pool";
    uint64_t registration[5] = {0, 0, 0, 0, 0}; /* address, count and group, ... */
    uint32_t words[2] = {0, 0}; /* count, group */
    uint32_t i;
    if (!r->buffers_) return 0;
    DX_REACTOR_ASSERT((r->buffers_ & (r->buffers_ - 1)) == 0);
    if (!r->ring_.zero_copy) return dx_reactor_p_refuse(r, what, EOPNOTSUPP);
    words[0] = r->buffers_;
    registration[0] = (uint64_t)(uintptr_t)r->pool_ring_;
    DX_REACTOR_MEMCPY(&registration[1], words, sizeof words);
    if (syscall(DX_REACTOR_P_SYS_REGISTER, (long)r->poll_fd_, (long)DX_REACTOR_P_REGISTER_POOL,
                registration, 1L) < 0)
        return dx_reactor_p_refuse(r, what, errno);
    r->ring_.pooled = true;
    for (i = 0; i < r->buffers_; i++) dx_reactor_p_pool_put(r, i);
    return 0;
}

/* Check that the ring may be entered. If no thread owns it yet, EBADFD (disabled) proves it;
   otherwise submit a no-op and reap it. */
static int dx_reactor_p_uring_try(dx_reactor *r)
{
    dx_reactor_p_ring *g = &r->ring_;
    dx_reactor_p_sqe *s;
    int error;
    if (g->disabled) {
        if (syscall(DX_REACTOR_P_SYS_ENTER, (long)r->poll_fd_, 0L, 0L, 0L, NULL, 0L) < 0 &&
            errno != EBADFD)
            return dx_reactor_p_refuse(r, "io_uring_enter", errno);
        return 0;
    }
    s = dx_reactor_p_uring_entry(r);
    error = s ? -EINTR : -EBUSY;
    if (s) s->user_data = DX_REACTOR_P_TAG_IGNORE; /* zeroed: DX_REACTOR_P_OP_NOP */
    while (error == -EINTR)
        error = dx_reactor_p_uring_enter(r, 1, DX_REACTOR_P_ENTER_GETEVENTS, -1);
    if (error == 0 && dx_reactor_p_uring_empty(g)) error = -EIO;
    if (error) return dx_reactor_p_refuse(r, "io_uring_enter", -error);
    __atomic_store_n(g->cq_head, *g->cq_head + 1, __ATOMIC_RELEASE);
    return 0;
}

/* Create a working ring, from `step` of the ladder on. 0 or an errno. */
static int dx_reactor_p_uring_make(dx_reactor *r, uint32_t entries, uint32_t completions,
                                   uint32_t step)
{
    dx_reactor_p_params p;
    if (dx_reactor_p_uring_setup(r, &p, entries, completions, step) == 0 &&
        dx_reactor_p_uring_map(r, &p) == 0 && dx_reactor_p_uring_probe(r) == 0 &&
        dx_reactor_p_uring_try(r) == 0 && dx_reactor_p_uring_pool(r) == 0)
        return 0;
    return r->sys_errno_;
}

/* Backend's open. */
static int dx_reactor_p_uring_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    uint32_t entries = desc->queue_entries ? desc->queue_entries : 256;
    uint32_t completions = desc->completion_entries ? desc->completion_entries : 4 * entries;
    int error = dx_reactor_p_wake_open(r);
    r->ring_.sqpoll_idle_ms = desc->sqpoll_idle_ms;
    return error ? error : dx_reactor_p_uring_make(r, entries, completions, 0);
}

static const dx_reactor_p_backend dx_reactor_p_uring = {
    "io_uring", dx_reactor_p_uring_open, dx_reactor_p_uring_close, dx_reactor_p_uring_issue,
    dx_reactor_p_uring_cancel, NULL, dx_reactor_p_uring_submit, dx_reactor_p_uring_wait,
    dx_reactor_p_uring_reap, dx_reactor_p_ring_wake, dx_reactor_p_shutdown, dx_reactor_p_close_fd,
    NULL, NULL, NULL, NULL};
#endif

/* >>readiness ----------------------------------------------------------
   Operations on systems that report readiness only: try first; if that would block, wait for an
   event and try again.

       issue --> attempt() --result--------------------------> completion queued
                   |  ^  '--BLOCKED--> arm() --> ... event --.
                   |  '---------------------------------------' dx_reactor_p_ready_event()
                   '--16 tries--> STALLED: the rest in the next round, others come first

   The start never delivers a completion, even if the first attempt succeeds. Registrations are
   edge-triggered and permanent. Missing an edge that no operation waits for is harmless, because
   every operation tries before it waits. */

/* Process the result of an attempt. True: the operation has ended; settle must follow. */
static bool dx_reactor_p_ready_result(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op, int32_t result)
{
    if (op->kind_ == DX_REACTOR_P_ACCEPT && result >= 0) dx_reactor_p_fd_fresh(r, result);
    DX_REACTOR_ASSERT(result != DX_REACTOR_P_BLOCKED && result != DX_REACTOR_P_ON_THREAD);
    if (result > 0 && dx_reactor_p_pooled(op)) {
        dx_reactor_p_pool_deliver(r, op, dx_reactor_p_pool_spare(r), result);
        return false;
    }
    if (result >= 0 && (op->flags_ & DX_REACTOR_P_F_MULTISHOT) && !dx_reactor_p_pooled(op)) {
        dx_reactor_p_more_push(r, op, result, 0);
        if (!(op->flags_ & DX_REACTOR_P_F_CANCEL)) return false;
        result = -ECANCELED;
    } else if (!dx_reactor_p_progress(op, &result)) {
        return false;
    }
    dx_reactor_p_end(r, e, op, result);
    return true;
}

/* Register a descriptor for readiness events; again if the number may belong to another
   descriptor by now. 0 or -errno. */
static int32_t dx_reactor_p_ready_arm(dx_reactor *r, dx_reactor_p_fd *e)
{
    const uint16_t before = e->generation;
    int32_t error;
    DX_REACTOR_ASSERT(!dx_reactor_p_fd_idle(e));
    if (!r->backend_->arm) return 0;
    if ((e->flags & DX_REACTOR_P_FD_REGISTERED) && !(e->flags & DX_REACTOR_P_FD_RECHECK)) return 0;
    r->generation_++;
    if (r->generation_ == 0) r->generation_++; /* 0: the wake descriptor */
    e->generation = r->generation_;
    error = r->backend_->arm(r, e);
    if (error > 0) e->generation = before;
    if (error < 0) return error;
    e->flags |= DX_REACTOR_P_FD_REGISTERED;
    e->flags &= (uint16_t)~DX_REACTOR_P_FD_RECHECK;
    return 0;
}

/* Make one attempt. Returns its result, BLOCKED or ON_THREAD. */
static int32_t dx_reactor_p_ready_attempt(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    const uint32_t tcp = DX_REACTOR_P_FD_TCP | DX_REACTOR_P_FD_ENDING;
    const uint32_t share = op->u_.bytes.size; /* of a pooled receive: buffers that it holds */
    int32_t result;
    DX_REACTOR_ASSERT(dx_reactor_p_more_room(r) || !(op->flags_ & DX_REACTOR_P_F_MULTISHOT));
    if (dx_reactor_p_pooled(op)) {
        op->buffer_ = r->pool_ + (size_t)dx_reactor_p_pool_spare(r) * r->buffer_size_;
        op->u_.bytes.size = r->buffer_size_;
    }
    result = r->backend_->attempt(r, e, op);
    if (result == DX_REACTOR_P_ON_THREAD) return result; /* a thread owns the operation now */
    if (op->kind_ == DX_REACTOR_P_RECV && result > 0 && (uint32_t)result < op->u_.bytes.size &&
        (e->flags & tcp) == DX_REACTOR_P_FD_TCP)
        e->flags |= DX_REACTOR_P_FD_EMPTY;
    if (dx_reactor_p_pooled(op)) op->u_.bytes.size = share;
    return result;
}

/* The attempt would block: wait for readiness, or end the operation if that fails. */
static void dx_reactor_p_ready_await(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    int32_t error = -ECANCELED;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE);
    if (!(op->flags_ & DX_REACTOR_P_F_CANCEL)) error = dx_reactor_p_ready_arm(r, e);
    if (error < 0) dx_reactor_p_end(r, e, op, error);
}

/* Backend's issue. */
static void dx_reactor_p_ready_issue(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    int tries;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE && op->kind_ != DX_REACTOR_P_CLOSE);
    DX_REACTOR_ASSERT(!(op->flags_ & DX_REACTOR_P_F_LENT));
    if (op->kind_ != DX_REACTOR_P_POLL) e->flags |= DX_REACTOR_P_FD_STREAM;
    for (tries = 0; tries < DX_REACTOR_P_TRIES; tries++) {
        int32_t result = DX_REACTOR_P_BLOCKED;
        const bool empty = op->kind_ == DX_REACTOR_P_RECV && (e->flags & DX_REACTOR_P_FD_EMPTY);
        if (!empty) {
            if (!dx_reactor_p_more_room(r) && (op->flags_ & DX_REACTOR_P_F_MULTISHOT)) break;
            if (dx_reactor_p_pooled(op) && !dx_reactor_p_pool_admit(r, op)) return;
            result = dx_reactor_p_ready_attempt(r, e, op);
        }
        if (result == DX_REACTOR_P_ON_THREAD) return;
        if (result == DX_REACTOR_P_BLOCKED) {
            dx_reactor_p_ready_await(r, e, op);
            return;
        }
        if (dx_reactor_p_ready_result(r, e, op, result)) return;
    }
    dx_reactor_p_retry_later(r, e, op, DX_REACTOR_P_F_STALLED); /* it used its share */
}

/* A side of a descriptor may be ready: continue its active operation, or all unordered ones. */
static void dx_reactor_p_ready_advance(dx_reactor *r, dx_reactor_p_fd *e, int side)
{
    const uint32_t skipped = DX_REACTOR_P_F_STALLED | DX_REACTOR_P_F_PAUSED | DX_REACTOR_P_F_LENT;
    dx_op *op = e->lists[side];
    dx_op *last = op ? op->prev_ : NULL;
    while (op) {
        dx_op *next = op == last || side != DX_REACTOR_P_OTHERS ? NULL : op->next_;
        if (op->state_ == DX_REACTOR_P_ACTIVE && !(op->flags_ & skipped) &&
            op->kind_ != DX_REACTOR_P_CLOSE)
            dx_reactor_p_ready_issue(r, e, op);
        op = next;
    }
}

/* Process a readiness event. */
static inline void dx_reactor_p_ready_event(dx_reactor *r, dx_reactor_p_fd *e, bool readable,
                                            bool writable) /* not on Windows */
{
    /* Polls first: a read would clear the readiness that they report. */
    dx_reactor_p_ready_advance(r, e, DX_REACTOR_P_OTHERS);
    if (readable) dx_reactor_p_ready_advance(r, e, DX_REACTOR_P_READS);
    if (writable) dx_reactor_p_ready_advance(r, e, DX_REACTOR_P_WRITES);
    dx_reactor_p_settle(r, e);
}

#if !defined(_WIN32)
/* The entry that an event belongs to; NULL: it was closed in the meantime. */
static dx_reactor_p_fd *dx_reactor_p_ready_entry(dx_reactor *r, int fd, uint32_t generation)
{
    dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, fd);
    if (e && (e->flags & DX_REACTOR_P_FD_REGISTERED) && e->generation == generation) return e;
    r->stats_.stale_events++;
    return NULL;
}

/* connect(2): the first call, or (.done) the next one once the descriptor is writable. */
static int32_t dx_reactor_p_try_connect(dx_op *op)
{
    const bool again = op->u_.bytes.done != 0;
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_CONNECT && op->buffer_);
    op->u_.bytes.done = 1;
    if (connect(op->fd_, (struct sockaddr *)op->buffer_, op->u_.bytes.size) == 0) return 0;
    if (errno == EINPROGRESS || (again && errno == EALREADY)) return DX_REACTOR_P_BLOCKED;
    return again && errno == EISCONN ? 0 : -errno;
}

/* pread(2) and pwrite(2), with 64-bit offsets on all of Linux. */
static long dx_reactor_p_at_offset(const dx_op *op, uint8_t *at, size_t size)
{
    uint64_t offset = op->offset_ + op->u_.bytes.done;
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_PREAD || op->kind_ == DX_REACTOR_P_PWRITE);
#if defined(__linux__)
    const struct {
        void  *base;
        size_t size;
    } piece = {at, size};
    long number = op->kind_ == DX_REACTOR_P_PREAD ? SYS_preadv : SYS_pwritev;
    return syscall(number, (long)op->fd_, &piece, 1L, (long)offset, (long)(offset >> 32));
#else
    return (long)(op->kind_ == DX_REACTOR_P_PREAD ? pread(op->fd_, at, size, (off_t)offset)
                                                  : pwrite(op->fd_, at, size, (off_t)offset));
#endif
}

/* Decide how to call a stream read or write. 0, -errno or DX_REACTOR_P_ON_THREAD. */
static int32_t dx_reactor_p_admit_stream(dx_reactor_p_fd *e, const dx_op *op, int flags)
{
    struct stat file;
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_READ || op->kind_ == DX_REACTOR_P_WRITE);
    if (fstat(op->fd_, &file) != 0) return DX_REACTOR_P_ON_THREAD; /* EOVERFLOW */
    if (S_ISREG(file.st_mode) || S_ISDIR(file.st_mode) || S_ISBLK(file.st_mode))
        return DX_REACTOR_P_ON_THREAD;
    if (!(flags & O_NONBLOCK)) {
        if (S_ISCHR(file.st_mode) && op->kind_ == DX_REACTOR_P_WRITE)
            return DX_REACTOR_P_ON_THREAD; /* a terminal does not report its room */
        e->flags |= DX_REACTOR_P_FD_BLOCKING;
    }
    return 0;
}

/* Can the operation be called without blocking? 0, -errno or DX_REACTOR_P_ON_THREAD: no. */
static int32_t dx_reactor_p_admit(dx_reactor_p_fd *e, const dx_op *op)
{
    int flags;
    int type;
    int32_t error = 0;
    socklen_t size = sizeof type;
    DX_REACTOR_ASSERT(op->fd_ == e->fd);
    if (op->kind_ == DX_REACTOR_P_RECV || op->kind_ == DX_REACTOR_P_SEND ||
        op->kind_ == DX_REACTOR_P_POLL || op->kind_ == DX_REACTOR_P_RECVFROM ||
        op->kind_ == DX_REACTOR_P_SENDTO)
        return 0;
    if (dx_reactor_p_side(op) == DX_REACTOR_P_OTHERS) return DX_REACTOR_P_ON_THREAD;
    if (e->flags & DX_REACTOR_P_FD_ADMITTED) return 0;
    flags = fcntl(op->fd_, F_GETFL);
    if (flags < 0) return -errno;
    if (op->kind_ == DX_REACTOR_P_READ || op->kind_ == DX_REACTOR_P_WRITE) {
        error = dx_reactor_p_admit_stream(e, op, flags);
    } else {
        if (getsockopt(op->fd_, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return -errno;
        if (!(flags & O_NONBLOCK) && fcntl(op->fd_, F_SETFL, flags | O_NONBLOCK) != 0)
            return -errno;
    }
    if (!error) e->flags |= DX_REACTOR_P_FD_ADMITTED;
    return error;
}

/* Make one system call; calls on files may block. */
static long dx_reactor_p_call(const dx_op *op)
{
    const bool flush = op->kind_ == DX_REACTOR_P_FSYNC;
    uint8_t *at = op->buffer_ ? (uint8_t *)op->buffer_ + op->u_.bytes.done : NULL;
    size_t size = op->u_.bytes.size - op->u_.bytes.done;
    const uintptr_t header = (uintptr_t)op->buffer_ + offsetof(dx_reactor_datagram, system_);
    struct msghdr *message = (struct msghdr *)header;
    DX_REACTOR_ASSERT(op->kind_ != DX_REACTOR_P_CONNECT && op->kind_ != DX_REACTOR_P_POLL);
    switch (op->kind_) {
#if defined(__linux__)
    case DX_REACTOR_P_ACCEPT:
        return syscall(SYS_accept4, (long)op->fd_, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK | 0L);
#else
    case DX_REACTOR_P_ACCEPT: return dx_reactor_p_set_nonblocking(accept(op->fd_, NULL, NULL));
#endif
    case DX_REACTOR_P_RECV: return (long)recv(op->fd_, at, size, MSG_DONTWAIT);
    case DX_REACTOR_P_READ: return (long)read(op->fd_, at, size);
    case DX_REACTOR_P_WRITE: return (long)write(op->fd_, at, size);
    case DX_REACTOR_P_SEND:
        return (long)send(op->fd_, at, size, MSG_DONTWAIT | DX_REACTOR_P_NOSIGNAL);
    case DX_REACTOR_P_RECVFROM: return (long)recvmsg(op->fd_, message, MSG_DONTWAIT);
    case DX_REACTOR_P_SENDTO:
        return (long)sendmsg(op->fd_, message, MSG_DONTWAIT | DX_REACTOR_P_NOSIGNAL);
    default: break;
    }
#if defined(__linux__) /* a strict -std=c99 hides pread() and fdatasync() */
    if (flush)
        return syscall(op->u_.bytes.size ? SYS_fdatasync : SYS_fsync, (long)op->fd_);
#elif defined(F_FULLFSYNC) /* macOS: fsync() leaves data in the drive's cache */
    if (flush) return fcntl(op->fd_, F_FULLFSYNC);
#else
    if (flush) return fsync(op->fd_);
#endif
    return dx_reactor_p_at_offset(op, at, size);
}

/* Why a stream is not ready: EAGAIN, unless it never will be. Then EBADF: not opened for that;
   EINVAL: no such call for its kind, as a write to a timerfd. Linux reports both for a vector of
   one empty buffer, before any other check. (Not for an empty vector: an emulator answers that
   itself.) */
static int dx_reactor_p_not_ready(int fd, bool reads)
{
#if defined(__linux__)
    char nothing = 0;
    struct iovec piece;
    piece.iov_base = &nothing;
    piece.iov_len = 0;
    return syscall(reads ? SYS_readv : SYS_writev, (long)fd, &piece, 1L) < 0 ? errno : EAGAIN;
#else
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    flags &= O_ACCMODE;
    return flags == (reads ? O_WRONLY : O_RDONLY) ? EBADF : EAGAIN;
#endif
}

/* Read or write a blocking stream, such as an inherited pipe: only when it is ready, and no more
   than it is sure to accept. If the system can, the call is also told not to block, in case another
   process is faster. */
static long dx_reactor_p_call_blocking(const dx_op *op)
{
    const bool reads = op->kind_ == DX_REACTOR_P_READ;
    uint8_t *at = (uint8_t *)op->buffer_ + op->u_.bytes.done;
    size_t size = op->u_.bytes.size - op->u_.bytes.done;
    struct pollfd ready;
    DX_REACTOR_ASSERT(op->u_.bytes.done <= op->u_.bytes.size);
    ready.fd = op->fd_;
    ready.events = (short)(reads ? POLLIN : POLLOUT);
    ready.revents = 0;
    if (poll(&ready, 1, 0) == 0) errno = dx_reactor_p_not_ready(op->fd_, reads);
    if (!ready.revents) return -1;
#if defined(SYS_preadv2) && defined(SYS_pwritev2)
    {
        const long here = -1;
        const long no_wait = 8; /* RWF_NOWAIT */
        struct {
            void  *base;
            size_t size;
        } piece;
        long moved;
        piece.base = at;
        piece.size = size;
        moved = syscall(reads ? SYS_preadv2 : SYS_pwritev2, (long)op->fd_, &piece, 1L, here, here,
                        no_wait);
        if (moved >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return moved;
    }
#endif
    if (reads) return (long)read(op->fd_, at, size);
    if (size > DX_REACTOR_P_PIPE) size = DX_REACTOR_P_PIPE;
    return (long)write(op->fd_, at, size);
}

/* >>files --------------------------------------------------------------
   Without asynchronous files, threads make the calls that block. A thread is started when an
   operation finds none idle.

       loop                     ring, under the lock                  threads (up to limit)
       ----                     --------------------                  ---------------------
       submit: F_LENT    --->   [op] [op] [op]   head..tail    --->   copy it, call, save the result
       reap:   its end   <---   files_done_: a stack of ended ones, linked by buffer_, no lock

   In the ring, .done is the operation's position, so that a cancel finds it; once a thread has
   completed it, .size is its result. Threads access an operation under the lock only and call with
   a copy, because the loop may store a cancel or a deadline in it at any time. */

/* Copy an operation for a thread, without the fields that the loop may write. */
static void dx_reactor_p_files_copy(dx_op *job, const dx_op *op)
{
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_READ || op->kind_ >= DX_REACTOR_P_WRITE);
    DX_REACTOR_MEMSET(job, 0, sizeof *job);
    job->kind_ = op->kind_;
    job->fd_ = op->fd_;
    job->buffer_ = op->buffer_;
    if (op->kind_ >= DX_REACTOR_P_PREAD) job->offset_ = op->offset_; /* else a deadline */
    job->u_.bytes.size = op->u_.bytes.size;
}

/* Return a completed operation to the loop. Called with the lock. */
static void dx_reactor_p_files_return(dx_reactor *r, dx_op *op, uint32_t done, int32_t result)
{
    dx_op *before = DX_REACTOR_P_LOAD(dx_op *, &r->files_done_, RELAXED);
    op->u_.bytes.done = done;
    op->u_.bytes.size = (uint32_t)result;
    do op->buffer_ = before;
    while (!DX_REACTOR_P_SWAP_IF(&r->files_done_, &before, op, true, SEQ_CST));
    dx_reactor_p_notify(r);
}

/* Main function of a file thread. */
static void *dx_reactor_p_files_main(void *self)
{
    dx_reactor *r = (dx_reactor *)self;
    dx_reactor_p_files *f = r->files_;
    dx_op job;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        dx_op *op;
        int32_t result;
        if (f->head == f->tail) {
            f->idle++;
            pthread_cond_wait(&f->lent, &f->lock);
            f->idle--;
            continue;
        }
        op = f->ring[f->head & f->mask];
        f->head++;
        dx_reactor_p_files_copy(&job, op);
        pthread_mutex_unlock(&f->lock);
        do {
            long moved = dx_reactor_p_call(&job);
            result = moved < 0 ? -errno : (int32_t)moved;
        } while (!dx_reactor_p_progress(&job, &result));
        pthread_mutex_lock(&f->lock);
        dx_reactor_p_files_return(r, op, job.u_.bytes.done, result);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Stop and join the threads. Nothing is queued any more. */
static void dx_reactor_p_files_close(dx_reactor *r)
{
    dx_reactor_p_files *f = DX_REACTOR_FILE_THREADS > 0 ? r->files_ : NULL;
    if (!f || !f->limit) return;
    pthread_mutex_lock(&f->lock);
    DX_REACTOR_ASSERT(f->count <= f->limit);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    pthread_cond_broadcast(&f->lent);
    while (f->count) dx_reactor_p_thread_join(f->threads[--f->count]);
    pthread_cond_destroy(&f->lent);
    pthread_mutex_destroy(&f->lock);
    f->limit = 0;
}

/* Prepare for threads; none is started. 0 or an errno. */
static int dx_reactor_p_files_open(dx_reactor *r, uint32_t threads)
{
    dx_reactor_p_files *f = DX_REACTOR_FILE_THREADS > 0 ? r->files_ : NULL;
    int error;
    if (!f) return 0;
    DX_REACTOR_ASSERT(f->count == 0 && !f->stop);
    f->ring = (dx_op **)(void *)(f + 1);
    f->mask = dx_reactor_p_files_places(r) - 1;
    error = pthread_mutex_init(&f->lock, NULL);
    if (error) return dx_reactor_p_refuse(r, "pthread_mutex_init", error);
    error = pthread_cond_init(&f->lent, NULL);
    if (error) {
        pthread_mutex_destroy(&f->lock);
        return dx_reactor_p_refuse(r, "pthread_cond_init", error);
    }
    f->limit = threads ? threads : 4;
    if (f->limit > DX_REACTOR_FILE_THREADS) f->limit = DX_REACTOR_FILE_THREADS;
    return 0;
}

/* Start one more thread, with all signals blocked. 0, or an errno if there is no thread at all. */
static int dx_reactor_p_files_grow(dx_reactor *r)
{
    dx_reactor_p_files *f = r->files_;
    int error;
    DX_REACTOR_ASSERT(f->count < f->limit);
#if defined(SIG_SETMASK) /* a strict -std=c99 hides it */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    error = dx_reactor_p_thread_start(&f->threads[f->count], dx_reactor_p_files_main, r);
#if defined(SIG_SETMASK)
    pthread_sigmask(SIG_SETMASK, &before, NULL);
#endif
    f->count += !error;
    return f->count ? 0 : error;
}

/* The error of a file operation without threads. */
static int32_t dx_reactor_p_files_refuse(const dx_op *op)
{
    if (fcntl(op->fd_, F_GETFL) < 0) return -errno;
    if ((op->kind_ == DX_REACTOR_P_PREAD || op->kind_ == DX_REACTOR_P_PWRITE) &&
        !dx_reactor_p_seekable(op->fd_))
        return -ESPIPE;
    return -ENOTSUP;
}

/* Issue the operation again when a thread may be free. */
static void dx_reactor_p_retry_when_free(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE);
    op->flags_ |= DX_REACTOR_P_F_STALLED;
    if (e->flags & DX_REACTOR_P_FD_RETRY) return;
    e->flags |= DX_REACTOR_P_FD_RETRY;
    e->retry = r->fd_retry_file_;
    r->fd_retry_file_ = (uint32_t)(e - r->fds_) + 1;
}

/* Queue an operation for a thread. DX_REACTOR_P_ON_THREAD or -errno. */
static int32_t dx_reactor_p_files_submit(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    dx_reactor_p_files *f = DX_REACTOR_FILE_THREADS > 0 ? r->files_ : NULL;
    bool full;
    bool more; /* all threads are busy, and another may be started */
    int error = 0;
    if (!f) return dx_reactor_p_files_refuse(op);
    pthread_mutex_lock(&f->lock);
    DX_REACTOR_ASSERT(f->tail - f->head <= f->mask + 1 && f->idle <= f->count);
    full = f->tail - f->head > f->mask;
    more = !full && f->idle <= f->tail - f->head && f->count < f->limit;
    pthread_mutex_unlock(&f->lock);
    if (full) {
        dx_reactor_p_retry_when_free(r, e, op);
        return DX_REACTOR_P_ON_THREAD;
    }
    if (more) error = dx_reactor_p_files_grow(r);
    if (error) return -error;
    op->flags_ |= DX_REACTOR_P_F_LENT;
    pthread_mutex_lock(&f->lock);
    op->u_.bytes.done = f->tail;
    f->ring[f->tail & f->mask] = op;
    f->tail++;
    pthread_mutex_unlock(&f->lock);
    pthread_cond_signal(&f->lent);
    return DX_REACTOR_P_ON_THREAD;
}

/* Remove an operation from the ring, unless a thread has it: the head of the
   ring moves into its place. */
static void dx_reactor_p_files_reclaim(dx_reactor *r, dx_op *op)
{
    dx_reactor_p_files *f = r->files_;
    dx_op **at;
    DX_REACTOR_ASSERT(f && (op->flags_ & DX_REACTOR_P_F_LENT));
    pthread_mutex_lock(&f->lock);
    at = &f->ring[op->u_.bytes.done & f->mask];
    if (op->u_.bytes.done - f->head < f->tail - f->head && *at == op) {
        *at = f->ring[f->head & f->mask];
        f->head++;
        (*at)->u_.bytes.done = op->u_.bytes.done;
        op->u_.bytes.done = 0;
        op->flags_ &= (uint16_t)~DX_REACTOR_P_F_LENT;
        r->retry_file_due_ |= r->fd_retry_file_ != 0;
    }
    pthread_mutex_unlock(&f->lock);
}

/* Backend's cancel: immediate, unless a thread is running the call; that
   ends with its own result. */
static void dx_reactor_p_ready_cancel(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    const bool files = DX_REACTOR_FILE_THREADS > 0;
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_ACTIVE);
    if (files && (op->flags_ & DX_REACTOR_P_F_LENT)) dx_reactor_p_files_reclaim(r, op);
    if (!(op->flags_ & DX_REACTOR_P_F_LENT)) dx_reactor_p_end(r, e, op, -ECANCELED);
}

/* Backend's attempt: a result, -errno, DX_REACTOR_P_BLOCKED or DX_REACTOR_P_ON_THREAD. */
static int32_t dx_reactor_p_attempt(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    struct pollfd ready;
    long result = dx_reactor_p_admit(e, op);
    if (result == DX_REACTOR_P_ON_THREAD) return dx_reactor_p_files_submit(r, e, op);
    if (result < 0) return (int32_t)result;
    if (op->kind_ == DX_REACTOR_P_CONNECT) return dx_reactor_p_try_connect(op);
    if (op->kind_ == DX_REACTOR_P_POLL) {
        ready.fd = op->fd_;
        ready.events = (short)dx_reactor_p_poll_mask(op->u_.bytes.size);
        ready.revents = 0;
        result = poll(&ready, 1, 0);
        if (result == 0) return DX_REACTOR_P_BLOCKED;
        if (result > 0) return dx_reactor_p_poll_result((uint32_t)(uint16_t)ready.revents);
    } else {
        const bool stream = op->kind_ == DX_REACTOR_P_READ || op->kind_ == DX_REACTOR_P_WRITE;
        result = stream && (e->flags & DX_REACTOR_P_FD_BLOCKING) ? dx_reactor_p_call_blocking(op)
                                                                 : dx_reactor_p_call(op);
    }
    if (result >= 0) return dx_reactor_p_received(op, (int32_t)result);
    return errno == EAGAIN ? DX_REACTOR_P_BLOCKED : -errno;
}
#endif

#if defined(__linux__)
/* >>epoll --------------------------------------------------------------
   A descriptor is registered once, edge-triggered for both directions, when the first operation on
   it would block, and stays registered until it is closed:

       epoll_event.data   63        32 31      0
                          | generation |  fd   |      generation 0: the wake descriptor

   A close elsewhere removes the registration silently. So an operation that blocks when nothing
   else was pending adds it again: EEXIST means that it is still there. A multishot, or a further
   operation, costs no epoll_ctl().

   A short receive on TCP means that the socket is empty (EMPTY): the next receive waits for an
   event and saves a call. Not so at the end of data or before an urgent byte (ENDING), which make
   receives short as well. */

/* Backend's arm. */
static int32_t dx_reactor_p_epoll_arm(dx_reactor *r, dx_reactor_p_fd *e)
{
    struct epoll_event event;
    int no_delay;
    socklen_t size = sizeof no_delay;
    DX_REACTOR_ASSERT(e->generation != 0);
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | (uint32_t)EPOLLET;
    event.data.u64 = (uint64_t)e->generation << 32 | (uint32_t)e->fd;
    if (epoll_ctl(r->poll_fd_, EPOLL_CTL_ADD, e->fd, &event) != 0) {
        if (errno != EEXIST) return -errno;
        if (e->flags & DX_REACTOR_P_FD_REGISTERED) return 1;
        if (epoll_ctl(r->poll_fd_, EPOLL_CTL_MOD, e->fd, &event) != 0) return -errno;
    }
    e->flags &= (uint16_t)~(DX_REACTOR_P_FD_TCP | DX_REACTOR_P_FD_ENDING | DX_REACTOR_P_FD_EMPTY);
    if (getsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) == 0)
        e->flags |= DX_REACTOR_P_FD_TCP; /* AF_UNIX: passed descriptors make receives short */
    return 0;
}

/* Backend's detach. */
static void dx_reactor_p_epoll_detach(dx_reactor *r, dx_reactor_p_fd *e)
{
    epoll_ctl(r->poll_fd_, EPOLL_CTL_DEL, e->fd, NULL);
}

/* epoll_wait(), or epoll_pwait2() for timeouts below a millisecond. */
static long dx_reactor_p_epoll_sleep(dx_reactor *r, struct epoll_event *events, int64_t timeout_ns)
{
    const int milliseconds = dx_reactor_p_milliseconds(timeout_ns);
    DX_REACTOR_ASSERT(timeout_ns >= DX_REACTOR_FOREVER);
    if (timeout_ns > 0 && !r->no_pwait2_) {
        const int64_t time[2] = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        const long count = syscall(DX_REACTOR_P_SYS_PWAIT2, (long)r->poll_fd_, events,
                                   (long)DX_REACTOR_P_BATCH, time, NULL, 0L);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
        r->no_pwait2_ = true; /* before 5.11, or filtered by seccomp */
    }
    return epoll_wait(r->poll_fd_, events, DX_REACTOR_P_BATCH, milliseconds);
}

/* Backend's wait. */
static int dx_reactor_p_epoll_wait(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    const uint32_t comes = ends | EPOLLIN | EPOLLPRI;
    struct epoll_event *events = (struct epoll_event *)r->events_;
    struct epoll_event event;
    dx_reactor_p_fd *e;
    long count;
    long i;
    (void)min;
    r->stats_.system_waits++;
    count = dx_reactor_p_epoll_sleep(r, events, timeout_ns);
    for (i = 0; i < count; i++) {
        uint32_t generation;
        DX_REACTOR_MEMCPY(&event, events + i, sizeof event);
        generation = (uint32_t)(event.data.u64 >> 32);
        if (!generation) {
            dx_reactor_p_drain_wake(r);
            continue;
        }
        e = dx_reactor_p_ready_entry(r, (int)(uint32_t)event.data.u64, generation);
        if (!e) continue;
        if (event.events & (ends | EPOLLPRI)) e->flags |= DX_REACTOR_P_FD_ENDING;
        if (event.events & comes) e->flags &= (uint16_t)~DX_REACTOR_P_FD_EMPTY;
        dx_reactor_p_ready_event(r, e, (event.events & comes) != 0,
                                 (event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0);
    }
    return count < 0 ? -errno : 0;
}

/* Backend's open. */
static int dx_reactor_p_epoll_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    struct epoll_event event;
    if (dx_reactor_p_wake_open(r)) return r->sys_errno_;
    event.events = EPOLLIN;
    event.data.u64 = (uint32_t)r->wake_fd_;
    r->poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (r->poll_fd_ >= 0 && epoll_ctl(r->poll_fd_, EPOLL_CTL_ADD, r->wake_fd_, &event) == 0)
        return dx_reactor_p_files_open(r, desc->file_threads);
    return dx_reactor_p_refuse(r, r->poll_fd_ < 0 ? "epoll_create1" : "epoll_ctl", errno);
}

static const dx_reactor_p_backend dx_reactor_p_epoll = {
    "epoll", dx_reactor_p_epoll_open, dx_reactor_p_files_close, dx_reactor_p_ready_issue,
    dx_reactor_p_ready_cancel, dx_reactor_p_epoll_detach, NULL, dx_reactor_p_epoll_wait, NULL,
    dx_reactor_p_ring_wake, dx_reactor_p_shutdown, dx_reactor_p_close_fd, dx_reactor_p_attempt,
    dx_reactor_p_epoll_arm, NULL, NULL};
#endif

#if DX_REACTOR_P_KQUEUE
/* >>kqueue -------------------------------------------------------------
   Both filters of a descriptor are added once, edge-triggered (EV_CLEAR), when the first operation
   on it would block, and again if the number may belong to another descriptor by now; adding an
   existing filter changes nothing. The additions are made by the next wait, in the same call. The
   end of data (EV_EOF) is found by the read that reaches it, after all data.

       events_   | changes_: READ, WRITE of one, READ, WRITE of the next | events of a wait |
                 0                                                     128                256
*/
static void dx_reactor_p_kq_pair(struct kevent *k, const dx_reactor_p_fd *e, int flags)
{
    void *generation = (void *)(uintptr_t)e->generation;
    EV_SET(k, (uintptr_t)e->fd, EVFILT_READ, (uint16_t)flags, 0, 0, generation);
    EV_SET(k + 1, (uintptr_t)e->fd, EVFILT_WRITE, (uint16_t)flags, 0, 0, generation);
}

/* Backend's arm. */
static int32_t dx_reactor_p_kq_arm(dx_reactor *r, dx_reactor_p_fd *e)
{
    struct kevent *changes = (struct kevent *)r->events_;
    struct kevent two[2];
    uint32_t i;
    DX_REACTOR_ASSERT(r->changes_ % 2 == 0);
    for (i = 0; (e->flags & DX_REACTOR_P_FD_REGISTERED) && i < r->changes_; i += 2)
        if (changes[i].ident == (uintptr_t)e->fd) { /* still queued */
            dx_reactor_p_kq_pair(changes + i, e, EV_ADD | EV_CLEAR);
            return 0;
        }
    if (r->changes_ + 2 <= DX_REACTOR_P_EVENTS / 2) { /* the other half is for events */
        dx_reactor_p_kq_pair(changes + r->changes_, e, EV_ADD | EV_CLEAR);
        r->changes_ += 2;
        return 0;
    }
    dx_reactor_p_kq_pair(two, e, EV_ADD | EV_CLEAR | EV_RECEIPT); /* receipts instead of events */
    return kevent(r->poll_fd_, two, 2, two, 2, NULL) < 0 ? -errno : -(int32_t)two[0].data;
}

/* Backend's detach. Queued additions are dropped: the number may soon be another descriptor's. */
static void dx_reactor_p_kq_detach(dx_reactor *r, dx_reactor_p_fd *e)
{
    struct kevent *changes = (struct kevent *)r->events_;
    struct kevent two[2];
    uint32_t i;
    DX_REACTOR_ASSERT(r->changes_ % 2 == 0);
    for (i = 0; i < r->changes_; i += 2) {
        if (changes[i].ident != (uintptr_t)e->fd) continue;
        r->changes_ -= 2;
        changes[i] = changes[r->changes_];
        changes[i + 1] = changes[r->changes_ + 1];
        return;
    }
    dx_reactor_p_kq_pair(two, e, EV_DELETE | EV_RECEIPT);
    kevent(r->poll_fd_, two, 2, two, 2, NULL);
}

/* Backend's wait: apply the queued changes and fetch events, in one call. */
static int dx_reactor_p_kq_wait(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    struct kevent *changes = (struct kevent *)r->events_;
    struct kevent *events = changes + DX_REACTOR_P_EVENTS / 2;
    struct timespec time;
    int count = (int)r->changes_;
    int i;
    dx_reactor_p_fd *e;
    (void)min;
    DX_REACTOR_ASSERT(r->changes_ <= DX_REACTOR_P_EVENTS / 2);
    time.tv_sec = (time_t)(timeout_ns / 1000000000);
    time.tv_nsec = (long)(timeout_ns % 1000000000);
    r->changes_ = 0; /* an interrupted call has applied them, too */
    r->stats_.system_waits++;
    count = kevent(r->poll_fd_, changes, count, events, DX_REACTOR_P_BATCH,
                   timeout_ns < 0 ? NULL : &time);
    for (i = 0; i < count; i++) {
        const struct kevent *k = &events[i];
        const int side = k->filter == EVFILT_WRITE ? DX_REACTOR_P_WRITES : DX_REACTOR_P_READS;
        if (k->filter == EVFILT_USER) continue;
        e = dx_reactor_p_ready_entry(r, (int)k->ident, (uint32_t)(uintptr_t)k->udata);
        if (!e) continue;
        if ((k->flags & EV_ERROR) && e->lists[side] &&
            e->lists[side]->state_ == DX_REACTOR_P_ACTIVE) /* could not be added */
            dx_reactor_p_end(r, e, e->lists[side], -(int32_t)k->data);
        dx_reactor_p_ready_event(r, e, side == DX_REACTOR_P_READS, side == DX_REACTOR_P_WRITES);
    }
    return count < 0 ? -errno : 0;
}

/* Backend's wake: a user event. */
static void dx_reactor_p_kq_wake(dx_reactor *r)
{
    struct kevent k;
    EV_SET(&k, 0, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
    kevent(r->poll_fd_, &k, 1, NULL, 0, NULL);
}

/* Backend's open. */
static int dx_reactor_p_kq_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    struct kevent k;
    EV_SET(&k, 0, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
    r->poll_fd_ = kqueue();
    if (r->poll_fd_ >= 0 && fcntl(r->poll_fd_, F_SETFD, FD_CLOEXEC) == 0 &&
        kevent(r->poll_fd_, &k, 1, NULL, 0, NULL) == 0)
        return dx_reactor_p_files_open(r, desc->file_threads);
    return dx_reactor_p_refuse(r, "kqueue", errno);
}

static const dx_reactor_p_backend dx_reactor_p_kqueue = {
    "kqueue", dx_reactor_p_kq_open, dx_reactor_p_files_close, dx_reactor_p_ready_issue,
    dx_reactor_p_ready_cancel, dx_reactor_p_kq_detach, NULL, dx_reactor_p_kq_wait, NULL,
    dx_reactor_p_kq_wake, dx_reactor_p_shutdown, dx_reactor_p_close_fd, dx_reactor_p_attempt,
    dx_reactor_p_kq_arm, NULL, NULL};
#endif

#if defined(_WIN32)
/* >>IOCP ---------------------------------------------------------------
   Overlapped operations on one completion port. The OVERLAPPED is part of the dx_op, so it lives
   until its completion was taken from the port:

       dx_op | ... fd_ kind_ state_ flags_ | system_: OVERLAPPED | AFD_POLL_INFO |
                                                     ^
       GetQueuedCompletionStatusEx() --> lpOverlapped: its operation lies around it

   Immediate success posts no completion (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) and is processed at
   once. Windows has no asynchronous poll, so we send the driver the request that WSAPoll() sends,
   overlapped. Descriptors are SOCKETs and HANDLEs: 64-bit Windows keeps them within 32 bits. */
typedef struct dx_reactor_p_system { /* in dx_op.system_ */
    OVERLAPPED overlapped;
    int64_t    timeout;   /* from here on AFD_POLL_INFO, the driver's poll request */
    uint32_t   count;     /* of handles: 1 */
    uint32_t   exclusive;
    HANDLE     handle;    /* the socket; of fsync: the port */
    uint32_t   events;    /* DX_REACTOR_P_AFD_ */
    uint32_t   status;    /* of fsync: GetLastError() */
} dx_reactor_p_system;

typedef char dx_reactor_p_system_size[sizeof(dx_reactor_p_system) <=
                                      sizeof(((dx_op *)0)->system_) ? 1 : -1];

enum { /* of .events, in no header. READS: receive, disconnect, accept; POLL: the control code */
    DX_REACTOR_P_AFD_READS = 1 + 8 + 128, DX_REACTOR_P_AFD_SEND = 4, DX_REACTOR_P_AFD_ABORT = 16,
    DX_REACTOR_P_AFD_CLOSE = 32, DX_REACTOR_P_AFD_FAIL = 256, DX_REACTOR_P_AFD_POLL = 0x12024
};

/* A descriptor as a HANDLE; sockets are handles too. */
static HANDLE dx_reactor_p_handle(int fd)
{
    return (HANDLE)(intptr_t)fd;
}

/* The system's part of an operation. */
static dx_reactor_p_system *dx_reactor_p_system_of(dx_op *op)
{
    return (dx_reactor_p_system *)(void *)op->system_;
}

/* Bind the descriptor to the port. That is permanent: Windows cannot unbind. 0 or -errno. */
static int32_t dx_reactor_p_iocp_attach(dx_reactor *r, dx_reactor_p_fd *e)
{
    HANDLE handle = dx_reactor_p_handle(e->fd);
    DWORD information;
    u_long on = 1;
    int type;
    int size = sizeof type;
    bool bound = (e->flags & DX_REACTOR_P_FD_REGISTERED) != 0;
    if (bound && !(e->flags & DX_REACTOR_P_FD_RECHECK)) return 0;
    e->flags &= (uint16_t)~(DX_REACTOR_P_FD_SOCKET | DX_REACTOR_P_FD_RECHECK);
    if (getsockopt(dx_reactor_p_socket_of(e->fd), SOL_SOCKET, SO_TYPE, (char *)&type, &size) == 0)
        e->flags |= DX_REACTOR_P_FD_SOCKET;
    else if (!GetHandleInformation(handle, &information))
        return -EBADF;
    if (e->flags & DX_REACTOR_P_FD_SOCKET)
        ioctlsocket(dx_reactor_p_socket_of(e->fd), (long)FIONBIO, &on);
    if (!CreateIoCompletionPort(handle, dx_reactor_p_handle(r->poll_fd_), 0, 0)) {
        if (GetLastError() != ERROR_INVALID_PARAMETER) return -dx_reactor_p_last_errno();
        /* Bound before, or forgotten and used again; otherwise the handle is not overlapped. */
        if (!(e->flags & DX_REACTOR_P_FD_SOCKET) && !bound) return -ENOTSUP;
    }
    if (SetFileCompletionNotificationModes(handle, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS |
                                                       FILE_SKIP_SET_EVENT_ON_HANDLE))
        e->flags |= DX_REACTOR_P_FD_SKIPS;
    e->flags |= DX_REACTOR_P_FD_REGISTERED;
    return 0;
}

typedef void dx_reactor_p_extension(void);

/* AcceptEx() or ConnectEx(), which Winsock exports at run time only; NULL: an error. */
static dx_reactor_p_extension *dx_reactor_p_iocp_extension(SOCKET s, GUID id)
{
    dx_reactor_p_extension *function = NULL;
    DWORD bytes;
    WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function, sizeof function,
             &bytes, NULL, NULL);
    return function;
}

/* TRUE: done; FALSE: an error, or a completion will come. The same for those below. */
static BOOL dx_reactor_p_iocp_accept(dx_reactor *r, dx_op *op, DWORD *bytes)
{
    const GUID id = WSAID_ACCEPTEX;
    const DWORD room = sizeof(struct sockaddr_in6) + 16; /* AcceptEx() requires 16 more */
    SOCKET listener = dx_reactor_p_socket_of(op->fd_);
    WSAPROTOCOL_INFOW info;
    BOOL listens = FALSE;
    int made;
    int size = sizeof info;
    int flag_size = sizeof listens;
    LPFN_ACCEPTEX function = (LPFN_ACCEPTEX)dx_reactor_p_iocp_extension(listener, id);
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_ACCEPT);
    op->u_.bytes.done = UINT32_MAX;
    getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listens, &flag_size);
    if (!listens) SetLastError(WSAEINVAL);
    if (!function || !listens ||
        getsockopt(listener, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &size) != 0)
        return FALSE;
    made = dx_reactor_p_make_socket(info.iAddressFamily, SOCK_STREAM, IPPROTO_TCP);
    op->u_.bytes.done = (uint32_t)made;
    if (made < 0) return FALSE;
    /* The addresses are discarded: several accepts may share the buffer. */
    return function(listener, dx_reactor_p_socket_of(made), r->events_, 0, room, room, bytes,
                    &dx_reactor_p_system_of(op)->overlapped);
}

/* ConnectEx(). */
static BOOL dx_reactor_p_iocp_connect(dx_op *op, DWORD *bytes)
{
    const GUID id = WSAID_CONNECTEX;
    SOCKET s = dx_reactor_p_socket_of(op->fd_);
    struct sockaddr_storage local;
    LPFN_CONNECTEX function = (LPFN_CONNECTEX)dx_reactor_p_iocp_extension(s, id);
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_CONNECT);
    if (!function) return FALSE;
    DX_REACTOR_MEMSET(&local, 0, sizeof local);
    DX_REACTOR_MEMCPY(&local.ss_family, op->buffer_, sizeof local.ss_family);
    /* ConnectEx() requires a bound socket; WSAEINVAL: it is bound already. */
    if (bind(s, (struct sockaddr *)(void *)&local, (int)op->u_.bytes.size) != 0 &&
        WSAGetLastError() != WSAEINVAL)
        return FALSE;
    return function(s, (struct sockaddr *)op->buffer_, (int)op->u_.bytes.size, NULL, 0, bytes,
                    &dx_reactor_p_system_of(op)->overlapped);
}

/* Poll for readiness; pooled receives too, so that they hold no buffer while they wait. */
static BOOL dx_reactor_p_iocp_poll(dx_op *op, DWORD *bytes)
{
    const uint32_t interest = dx_reactor_p_pooled(op) ? DX_REACTOR_READABLE : op->u_.bytes.size;
    const DWORD size = sizeof(dx_reactor_p_system) - offsetof(dx_reactor_p_system, timeout);
    dx_reactor_p_system *s = dx_reactor_p_system_of(op);
    SOCKET base;
    if (WSAIoctl(dx_reactor_p_socket_of(op->fd_), SIO_BASE_HANDLE, NULL, 0, &base, sizeof base,
                 bytes, NULL, NULL) != 0)
        return FALSE;
    s->timeout = INT64_MAX;
    s->count = 1;
    s->handle = (HANDLE)base;
    s->events = DX_REACTOR_P_AFD_ABORT | DX_REACTOR_P_AFD_CLOSE | DX_REACTOR_P_AFD_FAIL;
    if (interest & DX_REACTOR_READABLE) s->events |= DX_REACTOR_P_AFD_READS;
    if (interest & DX_REACTOR_WRITABLE) s->events |= DX_REACTOR_P_AFD_SEND;
    return DeviceIoControl(s->handle, DX_REACTOR_P_AFD_POLL, &s->timeout, size, &s->timeout, size,
                           bytes, &s->overlapped);
}

/* Receive or send a datagram. The length of the sender's address is stored in system_[0]. */
static BOOL dx_reactor_p_iocp_datagram(const dx_op *op, DWORD *bytes, OVERLAPPED *overlapped)
{
    dx_reactor_datagram *d = (dx_reactor_datagram *)op->buffer_;
    const SOCKET s = dx_reactor_p_socket_of(op->fd_);
    struct sockaddr *address = (struct sockaddr *)(void *)d->address.bytes;
    int *size = (int *)(void *)&d->system_[0];
    DWORD *flags = (DWORD *)(void *)&d->system_[1];
    WSABUF piece;
    DX_REACTOR_ASSERT(op->kind_ == DX_REACTOR_P_RECVFROM || op->kind_ == DX_REACTOR_P_SENDTO);
    piece.buf = (char *)d->data;
    piece.len = d->size;
    *size = sizeof d->address.bytes;
    *flags = 0;
    if (op->kind_ == DX_REACTOR_P_RECVFROM)
        return WSARecvFrom(s, &piece, 1, bytes, flags, address, size, overlapped, NULL) == 0;
    if (!d->address.size) return WSASend(s, &piece, 1, bytes, 0, overlapped, NULL) == 0;
    return WSASendTo(s, &piece, 1, bytes, 0, address, (int)d->address.size, overlapped, NULL) == 0;
}

/* Receive and send on sockets, read and write on other handles. */
static BOOL dx_reactor_p_iocp_transfer(const dx_reactor_p_fd *e, dx_op *op, DWORD *bytes)
{
    dx_reactor_p_system *s = dx_reactor_p_system_of(op);
    const SOCKET socket = dx_reactor_p_socket_of(op->fd_);
    const HANDLE handle = dx_reactor_p_handle(op->fd_);
    uint64_t offset = op->offset_ + op->u_.bytes.done;
    bool reads = dx_reactor_p_side(op) == DX_REACTOR_P_READS || op->kind_ == DX_REACTOR_P_PREAD;
    DWORD flags = 0;
    WSABUF piece;
    piece.buf = (char *)op->buffer_ + op->u_.bytes.done;
    piece.len = op->u_.bytes.size - op->u_.bytes.done;
    if (op->kind_ == DX_REACTOR_P_PREAD || op->kind_ == DX_REACTOR_P_PWRITE) {
        s->overlapped.Offset = (DWORD)offset;
        s->overlapped.OffsetHigh = (DWORD)(offset >> 32);
    }
    if (!(e->flags & DX_REACTOR_P_FD_SOCKET))
        return reads ? ReadFile(handle, piece.buf, piece.len, bytes, &s->overlapped)
                     : WriteFile(handle, piece.buf, piece.len, bytes, &s->overlapped);
    return (reads ? WSARecv(socket, &piece, 1, bytes, &flags, &s->overlapped, NULL)
                  : WSASend(socket, &piece, 1, bytes, 0, &s->overlapped, NULL)) == 0;
}

/* The result of an operation that the system has completed, with `bytes` or the last error. */
static int32_t dx_reactor_p_iocp_outcome(dx_op *op, BOOL ok, DWORD bytes)
{
    SOCKET s = dx_reactor_p_socket_of(op->fd_);
    const uint32_t events = dx_reactor_p_system_of(op)->events;
    uint32_t ready = 0;
    DWORD error = ok ? 0 : GetLastError();
    if (ok && dx_reactor_p_pooled(op)) return -EINTR; /* its poll is done: try again */
    switch (op->kind_) {
    case DX_REACTOR_P_ACCEPT: {
        int32_t made = (int32_t)op->u_.bytes.done;
        op->u_.bytes.done = 0;
        if (ok && setsockopt(dx_reactor_p_socket_of(made), SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                             (const char *)&s, sizeof s) == 0)
            return made;
        if (made != -1) closesocket(dx_reactor_p_socket_of(made));
        if (ok || error == ERROR_NETNAME_DELETED || error == WSAECONNRESET ||
            error == WSAENOTCONN) /* wine's error */
            return -ECONNABORTED;
        break;
    }
    case DX_REACTOR_P_CONNECT:
        if (ok && setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0) return 0;
        if (ok) return -dx_reactor_p_last_errno();
        break;
    case DX_REACTOR_P_RECVFROM:
        if (!ok) break;
        DX_REACTOR_MEMCPY(&((dx_reactor_datagram *)op->buffer_)->address.size,
                          ((dx_reactor_datagram *)op->buffer_)->system_, sizeof(uint32_t));
        return (int32_t)bytes;
    case DX_REACTOR_P_FSYNC:
        error = dx_reactor_p_system_of(op)->status;
        if (!error) return 0;
        break;
    case DX_REACTOR_P_POLL:
        if (!ok) break;
        if (events & DX_REACTOR_P_AFD_CLOSE) return -EBADF;
        if (events & DX_REACTOR_P_AFD_READS) ready |= DX_REACTOR_READABLE;
        if (events & DX_REACTOR_P_AFD_SEND) ready |= DX_REACTOR_WRITABLE;
        if (events & (DX_REACTOR_P_AFD_ABORT | DX_REACTOR_P_AFD_FAIL)) ready |= DX_REACTOR_ERROR;
        if (events & DX_REACTOR_P_AFD_ABORT) ready |= DX_REACTOR_HUP;
        return (int32_t)ready;
    default:
        if (ok) return (int32_t)bytes;
        if (error == ERROR_HANDLE_EOF) return 0;
        if (error == ERROR_BROKEN_PIPE && op->kind_ == DX_REACTOR_P_READ) return 0;
        break;
    }
    return -dx_reactor_p_errno_of(error);
}

/* May the operation be submitted? 0 or -errno. */
static int32_t dx_reactor_p_iocp_admit(dx_reactor *r, dx_reactor_p_fd *e, const dx_op *op)
{
    int32_t error = dx_reactor_p_iocp_attach(r, e);
    bool is_socket = (e->flags & DX_REACTOR_P_FD_SOCKET) != 0;
    DX_REACTOR_ASSERT(op->fd_ == e->fd);
    if (error) return error;
    switch (op->kind_) {
    case DX_REACTOR_P_READ:
    case DX_REACTOR_P_WRITE: return 0;
    case DX_REACTOR_P_PREAD:
    case DX_REACTOR_P_PWRITE: return is_socket ? -ESPIPE : 0;
    case DX_REACTOR_P_FSYNC:
        if (is_socket) return -EINVAL;
        return r->files_ ? 0 : -ENOTSUP;
    default: return is_socket ? 0 : -ENOTSOCK;
    }
}

/* Make a file durable, on a thread of the system's pool, because it blocks. */
static DWORD WINAPI dx_reactor_p_iocp_flush(void *operation)
{
    dx_op *op = (dx_op *)operation;
    dx_reactor_p_system *s = dx_reactor_p_system_of(op);
    s->status = FlushFileBuffers(dx_reactor_p_handle(op->fd_)) ? 0 : GetLastError();
    PostQueuedCompletionStatus(s->handle, 0, 0, &s->overlapped);
    return 0;
}

/* Submit the operation. Returns its result, or DX_REACTOR_P_BLOCKED: a completion will come. */
static int32_t dx_reactor_p_iocp_attempt(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    int32_t error = dx_reactor_p_iocp_admit(r, e, op);
    DWORD bytes = 0;
    BOOL ok;
    if (error) return error;
    DX_REACTOR_MEMSET(op->system_, 0, sizeof op->system_);
    if (dx_reactor_p_pooled(op)) { /* or poll, which holds no buffer */
        const int count = recv(dx_reactor_p_socket_of(op->fd_), (char *)op->buffer_,
                               (int)op->u_.bytes.size, 0);
        if (count >= 0) return count;
        if (WSAGetLastError() != WSAEWOULDBLOCK) return -dx_reactor_p_last_errno();
    }
    switch (op->kind_) {
    case DX_REACTOR_P_ACCEPT: ok = dx_reactor_p_iocp_accept(r, op, &bytes); break;
    case DX_REACTOR_P_CONNECT: ok = dx_reactor_p_iocp_connect(op, &bytes); break;
    case DX_REACTOR_P_POLL: ok = dx_reactor_p_iocp_poll(op, &bytes); break;
    case DX_REACTOR_P_RECVFROM:
    case DX_REACTOR_P_SENDTO:
        ok = dx_reactor_p_iocp_datagram(op, &bytes, &dx_reactor_p_system_of(op)->overlapped);
        break;
    case DX_REACTOR_P_FSYNC:
        dx_reactor_p_system_of(op)->handle = dx_reactor_p_handle(r->poll_fd_);
        if (QueueUserWorkItem(dx_reactor_p_iocp_flush, op, WT_EXECUTELONGFUNCTION))
            return DX_REACTOR_P_BLOCKED;
        return -dx_reactor_p_last_errno();
    default:
        ok = dx_reactor_p_pooled(op) ? dx_reactor_p_iocp_poll(op, &bytes)
                                     : dx_reactor_p_iocp_transfer(e, op, &bytes);
        break;
    }
    if (ok ? !(e->flags & DX_REACTOR_P_FD_SKIPS) : GetLastError() == ERROR_IO_PENDING)
        return DX_REACTOR_P_BLOCKED;
    return dx_reactor_p_iocp_outcome(op, ok, bytes);
}

/* Backend's cancel: the completion reports the outcome. */
static void dx_reactor_p_iocp_cancel(dx_reactor *r, dx_reactor_p_fd *e, dx_op *op)
{
    (void)r;
    (void)e;
    CancelIoEx(dx_reactor_p_handle(op->fd_), &dx_reactor_p_system_of(op)->overlapped);
}

/* Process a completion. */
static void dx_reactor_p_iocp_complete(dx_reactor *r, OVERLAPPED *overlapped)
{
    dx_op *op = (dx_op *)(void *)((char *)overlapped - offsetof(dx_op, system_));
    dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, op->fd_);
    DWORD bytes = 0;
    DWORD flags = 0;
    int32_t result;
    BOOL ok;
    DX_REACTOR_ASSERT(e != NULL && op->state_ == DX_REACTOR_P_ACTIVE);
    if (e->flags & DX_REACTOR_P_FD_SOCKET)
        ok = WSAGetOverlappedResult(dx_reactor_p_socket_of(op->fd_), overlapped, &bytes, FALSE,
                                    &flags);
    else
        ok = GetOverlappedResult(dx_reactor_p_handle(op->fd_), overlapped, &bytes, FALSE);
    result = dx_reactor_p_iocp_outcome(op, ok, bytes);
    if (!dx_reactor_p_ready_result(r, e, op, result))
        dx_reactor_p_retry_later(r, e, op, DX_REACTOR_P_F_STALLED);
    dx_reactor_p_settle(r, e);
}

/* Backend's wait: at most as many completions as more_ has room for. */
static int dx_reactor_p_iocp_wait(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    OVERLAPPED_ENTRY entries[DX_REACTOR_P_MORE_COUNT];
    uint32_t room = DX_REACTOR_P_MORE_COUNT - r->more_count_; /* each may be a multishot's */
    const int milliseconds = dx_reactor_p_milliseconds(timeout_ns);
    ULONG count = 0;
    ULONG i;
    (void)min;
    if (!room) return 0;
    r->stats_.system_waits++;
    if (!GetQueuedCompletionStatusEx(dx_reactor_p_handle(r->poll_fd_), entries, room, &count,
                                     milliseconds < 0 ? INFINITE : (DWORD)milliseconds, FALSE))
        return GetLastError() == WAIT_TIMEOUT ? 0 : -dx_reactor_p_last_errno();
    for (i = 0; i < count; i++)
        if (entries[i].lpOverlapped) dx_reactor_p_iocp_complete(r, entries[i].lpOverlapped);
    return 0;
}

/* Backend's wake: a completion without an operation. */
static void dx_reactor_p_iocp_wake(dx_reactor *r)
{
    PostQueuedCompletionStatus(dx_reactor_p_handle(r->poll_fd_), 0, 0, NULL);
}

/* Backend's open. */
static int dx_reactor_p_iocp_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    (void)desc;
    dx_reactor_p_winsock();
    r->poll_fd_ = port ? (int)(intptr_t)port : -1;
    return port ? 0 : dx_reactor_p_refuse(r, "CreateIoCompletionPort", dx_reactor_p_last_errno());
}

static const dx_reactor_p_backend dx_reactor_p_iocp = {
    "iocp", dx_reactor_p_iocp_open, NULL, dx_reactor_p_ready_issue,
    dx_reactor_p_iocp_cancel, NULL, NULL, dx_reactor_p_iocp_wait, NULL, dx_reactor_p_iocp_wake,
    dx_reactor_p_shutdown, dx_reactor_p_close_fd, dx_reactor_p_iocp_attempt, NULL,
    NULL, NULL};
#endif

/* >>backends ----------------------------------------------------------- */
/* AUTO uses the first that the system allows. */
static const struct {
    int backend;
    const dx_reactor_p_backend *table;
} dx_reactor_p_backends[] = {
#if defined(__linux__)
    {DX_REACTOR_BACKEND_IO_URING, &dx_reactor_p_uring},
    {DX_REACTOR_BACKEND_EPOLL, &dx_reactor_p_epoll},
#endif
#if DX_REACTOR_P_KQUEUE
    {DX_REACTOR_BACKEND_KQUEUE, &dx_reactor_p_kqueue},
#endif
#if defined(_WIN32)
    {DX_REACTOR_BACKEND_IOCP, &dx_reactor_p_iocp},
#endif
    {DX_REACTOR_BACKEND_AUTO, NULL}};

/* >>start --------------------------------------------------------------
   Public functions check their arguments, then:

       dx_reactor_p_transfer() --> dx_reactor_p_prepare() --> dx_reactor_p_begin()
       offset or stream?           fill in *op, count it      into its descriptor's list, issue

   Errors of the descriptor are results: the start returns OK, and the completion has the error. */

/* Fill in *op and count it, for every kind of operation. kind: plus 256 * flags_. */
static int dx_reactor_p_prepare(dx_reactor *r, dx_op *op, int kind, int fd, const void *buffer,
                                uint32_t size)
{
    if (!r || !r->open_ || !op || op->state_ != DX_REACTOR_P_IDLE) return DX_REACTOR_EINVAL;
    if (r->closing_ && kind != DX_REACTOR_P_CLOSE) return DX_REACTOR_ECANCELED;
    if (kind == DX_REACTOR_P_CLOSE) r->closes_pending_++;
    else if (r->pending_ - r->closes_pending_ >= r->pending_max_) return DX_REACTOR_EAGAIN;
    op->buffer_ = (void *)(uintptr_t)buffer;
    op->offset_ = 0;
    op->u_.bytes.size = size;
    op->u_.bytes.done = 0;
    op->fd_ = fd;
    op->kind_ = (uint8_t)kind;
    op->flags_ = (uint16_t)(kind >> 8);
    op->state_ = DX_REACTOR_P_WAITING;
    r->pending_++;
    DX_REACTOR_ASSERT(r->closes_pending_ <= r->pending_);
    return DX_REACTOR_OK;
}

/* Append a prepared operation to the list of its descriptor, and start it if it is first. */
static int dx_reactor_p_begin(dx_reactor *r, dx_op *op)
{
    dx_reactor_p_fd *e = op->fd_ >= 0 ? dx_reactor_p_fd_get(r, op->fd_) : NULL;
    const int side = dx_reactor_p_side(op);
    DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_WAITING && r->pending_ > 0);
    if (!e || (e->flags & DX_REACTOR_P_FD_CLOSING)) {
        int32_t result = op->fd_ < 0 || e ? -EBADF : -ENOBUFS;
        if (result == -ENOBUFS && op->kind_ == DX_REACTOR_P_CLOSE) /* the table is full, so
                                                                      nothing is pending on it */
            result = r->backend_->close_fd(r, op->fd_);
        dx_reactor_p_finish(r, op, result);
        return DX_REACTOR_OK;
    }
    if (dx_reactor_p_fd_idle(e)) {
        e->flags &= (uint16_t)~(DX_REACTOR_P_FD_ADMITTED | DX_REACTOR_P_FD_BLOCKING);
        if (e->flags & DX_REACTOR_P_FD_REGISTERED) e->flags |= DX_REACTOR_P_FD_RECHECK;
    }
    dx_reactor_p_list_push(&e->lists[side], op);
    if (op->kind_ == DX_REACTOR_P_CLOSE) {
        op->state_ = DX_REACTOR_P_ACTIVE;
        e->flags |= DX_REACTOR_P_FD_CLOSING;
        dx_reactor_p_cancel_fd(r, e);
    } else if (side == DX_REACTOR_P_OTHERS) {
        op->state_ = DX_REACTOR_P_ACTIVE;
        r->backend_->issue(r, e, op);
    } else {
        r->waiting_count_++;
    }
    dx_reactor_p_settle(r, e);
    return DX_REACTOR_OK;
}

/* Start an operation on a descriptor. NO_OFFSET turns PREAD and PWRITE into stream operations. */
static int dx_reactor_p_transfer(dx_reactor *r, dx_op *op, int kind, int fd, const void *buffer,
                                 uint32_t size, uint64_t offset)
{
    /* Here `size` is something else: interest bits, or data_only. */
    const bool has_bytes = kind != DX_REACTOR_P_POLL && kind != DX_REACTOR_P_FSYNC;
    int error;
    if (offset == DX_REACTOR_NO_OFFSET) {
        kind = kind == DX_REACTOR_P_PREAD ? DX_REACTOR_P_READ : DX_REACTOR_P_WRITE;
        offset = 0;
    }
    if (has_bytes && size && !buffer) return DX_REACTOR_EINVAL;
    if (size > INT32_MAX || offset > (uint64_t)INT64_MAX - size) return DX_REACTOR_EINVAL;
    error = dx_reactor_p_prepare(r, op, kind, fd, buffer, size);
    if (error) return error;
    op->offset_ = offset;
    return dx_reactor_p_begin(r, op);
}

/* The time delay_ns from now, saturated. */
static uint64_t dx_reactor_p_due_in(const dx_reactor *r, uint64_t delay_ns)
{
    const uint64_t now = dx_reactor_p_clock(r);
    return delay_ns > UINT64_MAX - now ? UINT64_MAX : now + delay_ns;
}

/* >>posts --------------------------------------------------------------
   Many producers, one consumer: a bounded ring of cells, each with a sequence number that says
   whose turn it is (Vyukov, "Bounded MPMC queue"). With 8 cells, after 10 posts and 7 receives:

       cell        0    1    2    3    4    5    6    7
       sequence    9   10   10   11   12   13   14    8
                   posted    free, for turns 10 to 14   posted

       head is 7: cell 7 has 7 + 1, so its message can be received, and the cell becomes 7 + 8
       tail is 10: cell 2 has 10, so it is free for the next post, and becomes 10 + 1

   No lost wake-up: these accesses are sequentially consistent, so either the producer sees that the
   loop sleeps, or the loop sees the message before it sleeps:

       producer                              loop
       cell->sequence = turn + 1             sleeping_ = 1
       sleeping_ was 1? then wake it         a cell is ready? then do not sleep           */
static bool dx_reactor_p_post_ready(const dx_reactor *r)
{
    const dx_reactor_p_cell *cell = &r->cells_[r->post_head_ & r->post_mask_];
    return DX_REACTOR_P_LOAD(uint32_t, &cell->sequence, SEQ_CST) == r->post_head_ + 1;
}

/* Is there a wake, a completed file operation or a message for a receiver? */
static bool dx_reactor_p_is_notified(const dx_reactor *r)
{
    return (DX_REACTOR_P_LOAD(uint32_t, &r->wake_, SEQ_CST) & 1) ||
           DX_REACTOR_P_LOAD(dx_op *, &r->files_done_, SEQ_CST) ||
           (r->receivers_ && dx_reactor_p_post_ready(r));
}

/* Deliver messages to pending receives. */
static void dx_reactor_p_receive_ready(dx_reactor *r)
{
    while (r->receivers_ && dx_reactor_p_post_ready(r)) {
        dx_op *op = r->receivers_;
        dx_reactor_message *out = (dx_reactor_message *)op->buffer_;
        uint32_t count = 0;
        DX_REACTOR_ASSERT(op->state_ == DX_REACTOR_P_RECEIVING && op->u_.bytes.size > 0);
        while (count < op->u_.bytes.size && dx_reactor_p_post_ready(r)) {
            dx_reactor_p_cell *cell = &r->cells_[r->post_head_ & r->post_mask_];
            DX_REACTOR_MEMCPY(out[count].words, cell->words, sizeof cell->words);
            count++;
            DX_REACTOR_P_STORE(&cell->sequence, r->post_head_ + r->post_mask_ + 1, RELEASE);
            r->post_head_++;
        }
        dx_reactor_p_list_remove(&r->receivers_, op);
        dx_reactor_p_finish(r, op, (int32_t)count);
    }
}

/* >>round --------------------------------------------------------------
   One round of the loop; every wait makes one or more:

       dx_reactor_p_round                                          dx_reactor_p_deliver
       flush, retry stalled ones, resume parked receives           completion after completion,
       completed file operations, messages                    -->  functions may start more;
       backend: submit, wait until the first timer at most         when empty, check once more for
       completed file operations, timers due, messages             events without a system call

   Nothing is delivered while events are processed, so functions never see a state halfway through a
   change. */

/* Process operations completed by file threads. */
static void dx_reactor_p_files_reap(dx_reactor *r)
{
    dx_op *op = NULL;
    if (DX_REACTOR_P_LOAD(dx_op *, &r->files_done_, RELAXED))
        op = DX_REACTOR_P_EXCHANGE(dx_op *, &r->files_done_, NULL, ACQUIRE);
    if (op) r->retry_file_due_ = r->fd_retry_file_ != 0;
    while (op) {
        dx_op *before = (dx_op *)op->buffer_;
        dx_reactor_p_fd *e = dx_reactor_p_fd_find(r, op->fd_);
        DX_REACTOR_ASSERT(e != NULL && (op->flags_ & DX_REACTOR_P_F_LENT));
        op->flags_ &= (uint16_t)~DX_REACTOR_P_F_LENT;
        dx_reactor_p_end(r, e, op, (int32_t)op->u_.bytes.size);
        dx_reactor_p_settle(r, e);
        op = before;
    }
}

/* Fire due timers, at most as many as stay in the caches until they are delivered. */
static void dx_reactor_p_fire_timers(dx_reactor *r)
{
    uint32_t count = 0;
    dx_op *op = NULL;
    while (count < DX_REACTOR_P_BATCH && (op = dx_reactor_p_timer_due(r)) != NULL) {
        count++;
        if (op->kind_ == DX_REACTOR_P_DEADLINE) {
            DX_REACTOR_ASSERT(op->u_.target->flags_ & DX_REACTOR_P_F_LIMITED);
            op->state_ = DX_REACTOR_P_EXPIRED;
            op->u_.target->flags_ |= DX_REACTOR_P_F_TIMED_OUT;
            dx_reactor_p_cancel(r, op->u_.target);
        } else {
            dx_reactor_p_finish(r, op, 0);
        }
    }
    r->timers_left_ = count == DX_REACTOR_P_BATCH; /* or none: the next call finds out */
}

/* How long the backend may wait: at most timeout_ns and until the first timer. */
static int64_t dx_reactor_p_wait_ns(dx_reactor *r, int64_t timeout_ns)
{
    uint64_t next;
    uint64_t left;
    DX_REACTOR_ASSERT(timeout_ns >= DX_REACTOR_FOREVER);
    if (r->done_ || r->more_count_ || r->fd_retry_ || r->retry_file_due_) return 0;
    if (r->parked_first_ && r->held_ < r->buffers_) return 0;
    next = dx_reactor_p_timer_next(r);
    if (timeout_ns == 0 || next == UINT64_MAX) return timeout_ns;
    r->now_ = dx_reactor_p_clock(r);
    if (next <= r->now_) return 0;
    left = next - r->now_;
    if (left > INT64_MAX) left = INT64_MAX;
    return timeout_ns < 0 || left < (uint64_t)timeout_ns ? (int64_t)left : timeout_ns;
}

/* Poll without sleeping until there is something or spin_ns_ have passed. 0 or -errno. */
static int dx_reactor_p_spin(dx_reactor *r, int64_t *timeout_ns)
{
    const uint64_t begin = dx_reactor_p_clock(r);
    uint64_t spent = 0;
    int error;
    DX_REACTOR_ASSERT(*timeout_ns != 0 && r->spin_ns_);
    do {
        error = r->backend_->wait(r, 0, 0);
        spent = dx_reactor_p_clock(r) - begin;
        if (error || r->done_ || r->more_count_ || dx_reactor_p_is_notified(r) ||
            (*timeout_ns > 0 && spent >= (uint64_t)*timeout_ns))
            *timeout_ns = 0;
    } while (*timeout_ns != 0 && spent < r->spin_ns_);
    if (*timeout_ns > 0) *timeout_ns -= (int64_t)spent;
    return error;
}

/* One round; leaves completions in the queues. 0 or -errno. */
static int dx_reactor_p_round(dx_reactor *r, uint32_t min, int64_t timeout_ns)
{
    int error = 0;
    bool polled; /* the spin has already fetched the events */
    DX_REACTOR_ASSERT(!r->in_callback_ && min >= 1);
    dx_reactor_p_retry(r);
    dx_reactor_p_resume(r);
    dx_reactor_p_files_reap(r);
    dx_reactor_p_receive_ready(r);
    r->submitted_ = r->stats_.completed + r->pending_;
    timeout_ns = dx_reactor_p_wait_ns(r, timeout_ns);
    if (r->flush_due_) timeout_ns = 0; /* an extension asked again during its flush */
    polled = timeout_ns != 0 && r->spin_ns_;
    if (polled) error = dx_reactor_p_spin(r, &timeout_ns);
    if (timeout_ns != 0) {
        (void)DX_REACTOR_P_EXCHANGE(uint32_t, &r->sleeping_, 1, SEQ_CST);
        if (dx_reactor_p_is_notified(r)) timeout_ns = 0;
    }
    if (!polled || (timeout_ns != 0 && !error)) error = r->backend_->wait(r, min, timeout_ns);
    if (DX_REACTOR_P_LOAD(uint32_t, &r->sleeping_, RELAXED))
        DX_REACTOR_P_STORE(&r->sleeping_, 0, SEQ_CST);
    r->now_ = dx_reactor_p_clock(r);
    dx_reactor_p_files_reap(r);
    dx_reactor_p_fire_timers(r);
    dx_reactor_p_receive_ready(r);
    return error;
}

/* Is a terminal completion next? Completions with F_MORE, such as accepted descriptors, and
   terminal ones alternate, so that a flood of connections starves nobody:

       more_   A1  A2  A3 ...     -->  A1, T1, A2, T2, A3 ...
       done_   T1  T2 ...

   Exceptions that keep an order. The terminal one of a multishot follows all its others, and a
   multishot receive's pieces follow all that completed before, such as an earlier receive. A close
   is reported before an accept that reuses the number: while closes are queued, none overtakes. */
static bool dx_reactor_p_done_is_next(const dx_reactor *r)
{
    const dx_op *first = r->done_;
    const dx_reactor_p_more *more = &r->more_[r->more_head_ % DX_REACTOR_P_MORE_COUNT];
    int32_t before; /* completions with F_MORE queued earlier and not delivered */
    if (!first || !r->more_count_) return first != NULL;
    before = (int32_t)((uint32_t)(first->offset_ >> 32) - r->more_head_);
    DX_REACTOR_ASSERT(before <= (int32_t)r->more_count_);
    if (before <= 0)
        return r->done_first_ || r->closes_queued_ || (more->flags & DX_REACTOR_F_BUFFER);
    return r->done_first_ && !(first->flags_ & DX_REACTOR_P_F_MULTISHOT);
}

/* Get the next completion; false: none without a system call. */
static bool dx_reactor_p_next(dx_reactor *r, dx_op **op, int32_t *result, uint32_t *flags)
{
    if (!r->more_count_ && !r->done_ && r->backend_->reap) r->backend_->reap(r);
    if (!r->more_count_ && !r->done_ && r->flush_due_) dx_reactor_p_flush(r);
    if (!r->more_count_ && !r->done_ && r->timers_left_) dx_reactor_p_fire_timers(r);
    if (r->more_count_ && !dx_reactor_p_done_is_next(r)) {
        const dx_reactor_p_more *next = &r->more_[r->more_head_ % DX_REACTOR_P_MORE_COUNT];
        r->more_head_++;
        *op = next->op;
        *result = next->result;
        *flags = next->flags;
        r->more_count_--;
        r->done_first_ = true;
        return true;
    }
    if (!r->done_) return false;
    r->done_first_ = false;
    *op = r->done_;
    *result = (int32_t)(uint32_t)(*op)->offset_;
    *flags = (*op)->flags_ & DX_REACTOR_P_F_UNCOPIED ? DX_REACTOR_F_UNCOPIED : 0;
    DX_REACTOR_ASSERT((*op)->state_ == DX_REACTOR_P_DONE && r->pending_ > 0);
    dx_reactor_p_list_remove(&r->done_, *op);
    r->closes_queued_ -= (*op)->kind_ == DX_REACTOR_P_CLOSE;
    r->closes_pending_ -= (*op)->kind_ == DX_REACTOR_P_CLOSE;
    (*op)->state_ = DX_REACTOR_P_IDLE;
    r->pending_--;
    r->stats_.completed++;
    return true;
}

/* Deliver up to `capacity` completions, into an array or to functions. */
static uint32_t dx_reactor_p_deliver(dx_reactor *r, dx_completion *out, uint32_t capacity)
{
    uint32_t count = 0;
    uint32_t flags;
    int32_t result;
    dx_op *op;
    DX_REACTOR_ASSERT(!r->in_callback_);
    while (count < capacity && dx_reactor_p_next(r, &op, &result, &flags)) {
        if (out) {
            out[count].user_data = op->user_data;
            out[count].result = result;
            out[count].flags = flags;
        } else if (op->fn) {
            r->in_callback_ = true;
            op->fn(r, op, result, flags);
            r->in_callback_ = false;
        } else if (r->closing_ && op->kind_ == DX_REACTOR_P_ACCEPT && result >= 0) {
            r->backend_->close_fd(r, result); /* nobody can receive this descriptor */
        }
        count++;
    }
    return count;
}

/* Make rounds until `min` completions were delivered or something else ends the wait. */
static int dx_reactor_p_wait(dx_reactor *r, dx_completion *out, uint32_t capacity, uint32_t min,
                             int64_t timeout_ns, bool signals_end)
{
    uint32_t count = 0;
    uint64_t end;
    if (!r || !r->open_ || !capacity || capacity > INT32_MAX || timeout_ns < DX_REACTOR_FOREVER)
        return DX_REACTOR_EINVAL;
    if (r->in_callback_) return DX_REACTOR_EREENTRY;
    end = timeout_ns > 0 ? dx_reactor_p_due_in(r, (uint64_t)timeout_ns) : 0;
    if (!min) timeout_ns = 0;
    r->batch_wait_ns_ = DX_REACTOR_P_BATCH_NS;
    for (;;) {
        int error = dx_reactor_p_round(r, min > count ? min - count : 1, timeout_ns);
        count += dx_reactor_p_deliver(r, out ? out + count : NULL, capacity - count);
        if (error && error != -EINTR) {
            dx_reactor_p_fail(r, -error);
            return count ? (int)count : DX_REACTOR_ESYS;
        }
        if (count >= min || timeout_ns == 0 || (error && signals_end)) break;
        if (DX_REACTOR_P_AND(&r->wake_, ~1u, SEQ_CST) & 1) break;
        if (timeout_ns > 0) {
            if (r->now_ >= end) break;
            timeout_ns = (int64_t)(end - r->now_);
        }
    }
    return (int)count;
}

/* >>public -------------------------------------------------------------
   The public functions, in the order of their declarations, each after its private helpers. */
DX_REACTOR_API const char *dx_reactor_error_name(int error)
{
    switch (error) {
#define DX_REACTOR_P_CASE(value, name)                                                             \
    case value: return "DX_REACTOR_" #name;
    DX_REACTOR_ERRORS(DX_REACTOR_P_CASE)
#undef DX_REACTOR_P_CASE
    default: return "unknown error";
    }
}

DX_REACTOR_API void dx_reactor_op_init(dx_op *op, dx_op_fn *fn, void *user)
{
    DX_REACTOR_MEMSET(op, 0, sizeof *op);
    op->fn = fn;
    op->user_data = (uint64_t)(uintptr_t)user;
}

DX_REACTOR_API void *dx_reactor_op_user(const dx_op *op)
{
    return (void *)(uintptr_t)op->user_data;
}

DX_REACTOR_API bool dx_reactor_op_pending(const dx_op *op)
{
    return op->state_ != DX_REACTOR_P_IDLE;
}

DX_REACTOR_API uint32_t dx_reactor_op_transferred(const dx_op *op)
{
    const uint32_t kinds = 1u << DX_REACTOR_P_SEND | 1u << DX_REACTOR_P_READ |
                           1u << DX_REACTOR_P_WRITE | 1u << DX_REACTOR_P_PREAD |
                           1u << DX_REACTOR_P_PWRITE;
    return (kinds >> op->kind_ & 1) ? op->u_.bytes.done : 0;
}

DX_REACTOR_API size_t dx_reactor_memory_size(const dx_reactor_desc *desc)
{
    dx_reactor r;
    return desc ? dx_reactor_p_plan(&r, desc, NULL) : 0;
}

/* Release the system's objects, also after a partly failed open. */
static void dx_reactor_p_close_backend(dx_reactor *r)
{
    if (r->backend_->close) r->backend_->close(r);
    if (r->poll_fd_ != -1) dx_reactor_p_close_fd(r, r->poll_fd_);
    if (r->wake_fd_ != -1) dx_reactor_p_close_fd(r, r->wake_fd_);
    r->poll_fd_ = r->wake_fd_ = -1;
}

/* Open the requested backend, or the first that the system allows. */
static int dx_reactor_p_select(dx_reactor *r, const dx_reactor_desc *desc)
{
    const bool any = desc->backend == DX_REACTOR_BACKEND_AUTO;
    size_t i;
    r->backend_ = desc->simulator ? desc->simulator->backend_ : NULL;
    if (desc->backend == DX_REACTOR_BACKEND_SIMULATED && r->backend_) return DX_REACTOR_OK;
    for (i = 0; (r->backend_ = dx_reactor_p_backends[i].table) != NULL; i++) {
        r->trying_ = dx_reactor_p_backends[i].backend;
        if (!any && r->trying_ != desc->backend) continue;
        if (r->backend_->open(r, desc) == 0) return DX_REACTOR_OK;
        dx_reactor_p_close_backend(r);
    }
    return DX_REACTOR_ENOTSUP;
}

DX_REACTOR_API int dx_reactor_open(dx_reactor *r, const dx_reactor_desc *desc)
{
    size_t size;
    int error;
    if (!r || !desc) return DX_REACTOR_EINVAL;
    DX_REACTOR_MEMSET(r, 0, sizeof *r);
    r->poll_fd_ = r->wake_fd_ = -1;
    size = dx_reactor_p_plan(r, desc, NULL);
    if (desc->backend < 0 || desc->backend >= DX_REACTOR_BACKEND_COUNT || !size)
        return DX_REACTOR_EINVAL;
    if (!desc->memory || desc->memory_size < size) return DX_REACTOR_ENOMEM;
    dx_reactor_p_plan(r, desc, (uint8_t *)desc->memory);
    r->spin_ns_ = desc->simulator ? 0 : desc->spin_ns; /* simulated time stands still meanwhile */
    r->simulator_ = desc->simulator;
    error = dx_reactor_p_select(r, desc);
    if (error) return error;
    r->now_ = r->timer_base_ = dx_reactor_p_clock(r);
    r->open_ = true;
    return DX_REACTOR_OK;
}

/* Cancel everything. */
static void dx_reactor_p_cancel_all(dx_reactor *r)
{
    uint32_t bucket;
    uint64_t begin;
    int32_t slot;
    DX_REACTOR_ASSERT(r->closing_);
    while ((slot = dx_reactor_p_timer_slot(r, &begin)) >= 0) {
        dx_op *op = r->timers_[slot];
        if (op->kind_ != DX_REACTOR_P_DEADLINE) {
            dx_reactor_p_cancel(r, op);
        } else { /* ends after its target, canceled below */
            dx_reactor_p_timer_remove(r, op);
            op->state_ = DX_REACTOR_P_EXPIRED;
        }
    }
    while (r->receivers_) dx_reactor_p_cancel(r, r->receivers_);
    for (bucket = 0; bucket <= r->bucket_mask_; bucket++) {
        uint32_t index = r->buckets_[bucket];
        while (index) {
            dx_reactor_p_fd *e = &r->fds_[index - 1];
            index = e->next; /* settling may free *e */
            dx_reactor_p_cancel_fd(r, e);
            dx_reactor_p_settle(r, e);
        }
    }
}

DX_REACTOR_API int dx_reactor_close(dx_reactor *r)
{
    dx_reactor_extension *x;
    int error = DX_REACTOR_OK;
    if (!r || !r->open_) return r ? DX_REACTOR_OK : DX_REACTOR_EINVAL;
    if (r->in_callback_) return DX_REACTOR_EREENTRY;
    r->closing_ = true;
    dx_reactor_p_cancel_all(r);
    for (x = r->extensions_; x; x = x->next_) dx_reactor_ext_flush_later(r, x);
    if (r->flush_due_) dx_reactor_p_flush(r);
    while (r->pending_ || r->more_count_) {
        int code = dx_reactor_p_round(r, 1, DX_REACTOR_FOREVER);
        dx_reactor_p_deliver(r, NULL, UINT32_MAX);
        DX_REACTOR_P_STORE(&r->wake_, 0, SEQ_CST); /* otherwise the next wait would not sleep */
        if (code < 0 && code != -EINTR) {
            error = dx_reactor_p_fail(r, -code);
            break;
        }
    }
    DX_REACTOR_ASSERT(error || (!r->done_ && !r->receivers_ && !r->waiting_count_));
    dx_reactor_p_close_backend(r);
    r->open_ = false;
    return error;
}

DX_REACTOR_API const char *dx_reactor_backend_name(const dx_reactor *r)
{
    return r && r->backend_ ? r->backend_->name : "unsupported";
}

DX_REACTOR_API const char *dx_reactor_refusal(const dx_reactor *r, int backend)
{
    return r && backend > 0 && backend < DX_REACTOR_BACKEND_COUNT ? r->refusals_[backend] : "";
}

DX_REACTOR_API const char *dx_reactor_best_available(void)
{
    dx_reactor_desc desc;
    dx_reactor r;
    DX_REACTOR_MEMSET(&r, 0, sizeof r);
    DX_REACTOR_MEMSET(&desc, 0, sizeof desc);
    r.poll_fd_ = r.wake_fd_ = -1;
    desc.queue_entries = 4;
    if (dx_reactor_p_select(&r, &desc) == DX_REACTOR_OK) dx_reactor_p_close_backend(&r);
    return dx_reactor_backend_name(&r);
}

DX_REACTOR_API bool dx_reactor_kernel_has_io_uring(const char *release)
{
    uint64_t first;
    uint64_t second = 0;
    if (!release || *release < '0' || *release > '9') return false;
    first = dx_reactor_p_parse_number(&release);
    if (*release == '.') {
        release++;
        second = dx_reactor_p_parse_number(&release);
    }
    return first > 5 || (first == 5 && second >= 1);
}

DX_REACTOR_API int dx_reactor_submit(dx_reactor *r)
{
    uint64_t before;
    int error;
    if (!r || !r->open_) return DX_REACTOR_EINVAL;
    dx_reactor_p_retry(r);
    error = r->backend_->submit ? r->backend_->submit(r) : 0;
    DX_REACTOR_ASSERT(error <= 0);
    if (error < 0) return dx_reactor_p_fail(r, -error);
    before = r->submitted_;
    r->submitted_ = r->stats_.completed + r->pending_;
    return (int)(r->submitted_ - before);
}

DX_REACTOR_API int dx_reactor_wait(dx_reactor *r, dx_completion *completions, uint32_t capacity,
                                   int64_t timeout_ns)
{
    if (!completions) return DX_REACTOR_EINVAL;
    return dx_reactor_p_wait(r, completions, capacity, 1, timeout_ns, true);
}

DX_REACTOR_API int dx_reactor_submit_and_wait(dx_reactor *r, dx_completion *completions,
                                              uint32_t capacity, uint32_t min, int64_t timeout_ns)
{
    if (!completions || min > capacity) return DX_REACTOR_EINVAL;
    return dx_reactor_p_wait(r, completions, capacity, min, timeout_ns, false);
}

DX_REACTOR_API int dx_reactor_run_once(dx_reactor *r, int64_t timeout_ns)
{
    return dx_reactor_p_wait(r, NULL, r ? r->budget_ : 0, 1, timeout_ns, true);
}

DX_REACTOR_API int dx_reactor_run(dx_reactor *r)
{
    int count;
    if (!r || !r->open_) return DX_REACTOR_EINVAL;
    if (r->in_callback_) return DX_REACTOR_EREENTRY;
    while (!(DX_REACTOR_P_LOAD(uint32_t, &r->wake_, SEQ_CST) & 2)) {
        if (!r->pending_ && r->flush_due_) dx_reactor_p_flush(r);
        if (!r->pending_) return DX_REACTOR_OK;
        count = dx_reactor_run_once(r, DX_REACTOR_FOREVER);
        if (count < 0) return count;
    }
    DX_REACTOR_P_STORE(&r->wake_, 0, SEQ_CST); /* the stop, and its wake */
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_accept(dx_reactor *r, dx_op *op, int fd)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_ACCEPT, fd, NULL, 0, 0);
}

DX_REACTOR_API int dx_reactor_accept_multishot(dx_reactor *r, dx_op *op, int fd)
{
    const int kind = DX_REACTOR_P_ACCEPT | DX_REACTOR_P_F_MULTISHOT << 8;
    return dx_reactor_p_transfer(r, op, kind, fd, NULL, 0, 0);
}

DX_REACTOR_API int dx_reactor_connect(dx_reactor *r, dx_op *op, int fd,
                                      const dx_reactor_address *address)
{
    if (!address || address->size < sizeof(uint16_t) || address->size > sizeof address->bytes)
        return DX_REACTOR_EINVAL;
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_CONNECT, fd, address->bytes, address->size, 0);
}

DX_REACTOR_API int dx_reactor_recv(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size)
{
    if (!size) return DX_REACTOR_EINVAL; /* a result of 0 means the end of data */
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_RECV, fd, buffer, size, 0);
}

DX_REACTOR_API int dx_reactor_recv_multishot(dx_reactor *r, dx_op *op, int fd)
{
    const int kind = DX_REACTOR_P_RECV | DX_REACTOR_P_F_MULTISHOT << 8;
    if (!r || !r->buffers_) return DX_REACTOR_EINVAL;
    return dx_reactor_p_transfer(r, op, kind, fd, NULL, 0, 0);
}

DX_REACTOR_API void *dx_reactor_buffer(const dx_reactor *r, uint32_t flags)
{
    uint32_t id = flags >> 16;
    if (!r || !(flags & DX_REACTOR_F_BUFFER) || id >= r->buffers_ || !r->holders_[id]) return NULL;
    return r->pool_ + (size_t)id * r->buffer_size_;
}

DX_REACTOR_API int dx_reactor_return_buffer(dx_reactor *r, uint32_t flags)
{
    const uint32_t id = flags >> 16;
    dx_op *op;
    if (!dx_reactor_buffer(r, flags)) return DX_REACTOR_EINVAL;
    DX_REACTOR_ASSERT(r->held_ > 0);
    op = r->holders_[id];
    r->holders_[id] = NULL;
    if (r->pool_holds_ && r->ring_.pooled) {
        r->spare_[r->returned_++] = (uint16_t)id;
    } else {
        r->held_--;
        dx_reactor_p_pool_put(r, id);
    }
    if ((void *)op == (void *)r) return DX_REACTOR_OK; /* orphaned: its operation has ended */
    DX_REACTOR_ASSERT(dx_reactor_p_pooled(op) && op->u_.bytes.size > 0);
    op->u_.bytes.size--;
    if ((op->flags_ & (DX_REACTOR_P_F_PAUSED | DX_REACTOR_P_F_PARKED)) == DX_REACTOR_P_F_PAUSED)
        dx_reactor_p_park(r, op); /* the next round resumes it */
    return DX_REACTOR_OK;
}

/* Start a datagram operation. */
static int dx_reactor_p_datagram(dx_reactor *r, dx_op *op, int kind, int fd,
                                 dx_reactor_datagram *d)
{
    if (!d || (!d->data && d->size) || d->size > INT32_MAX ||
        d->address.size > sizeof d->address.bytes)
        return DX_REACTOR_EINVAL;
#if !defined(_WIN32)
    dx_reactor_p_address_message(d, kind == DX_REACTOR_P_RECVFROM);
#endif
    return dx_reactor_p_transfer(r, op, kind, fd, d, 0, 0);
}

DX_REACTOR_API int dx_reactor_recvfrom(dx_reactor *r, dx_op *op, int fd, dx_reactor_datagram *d)
{
    return dx_reactor_p_datagram(r, op, DX_REACTOR_P_RECVFROM, fd, d);
}

DX_REACTOR_API int dx_reactor_sendto(dx_reactor *r, dx_op *op, int fd, dx_reactor_datagram *d)
{
    return dx_reactor_p_datagram(r, op, DX_REACTOR_P_SENDTO, fd, d);
}

DX_REACTOR_API int dx_reactor_send(dx_reactor *r, dx_op *op, int fd, const void *data,
                                   uint32_t size)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_SEND, fd, data, size, 0);
}

DX_REACTOR_API int dx_reactor_send_zero_copy(dx_reactor *r, dx_op *op, int fd, const void *data,
                                             uint32_t size)
{
    bool can = r && r->ring_.zero_copy && !r->ring_.no_reports && size;
    const int kind = DX_REACTOR_P_SEND | (can ? DX_REACTOR_P_F_ZERO_COPY << 8 : 0);
    return dx_reactor_p_transfer(r, op, kind, fd, data, size, 0);
}

DX_REACTOR_API int dx_reactor_shutdown(dx_reactor *r, dx_op *op, int fd)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_SHUTDOWN, fd, NULL, 0, 0);
}

DX_REACTOR_API int dx_reactor_read(dx_reactor *r, dx_op *op, int fd, void *buffer, uint32_t size,
                                   uint64_t offset)
{
    if (!size) return DX_REACTOR_EINVAL;
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_PREAD, fd, buffer, size, offset);
}

DX_REACTOR_API int dx_reactor_write(dx_reactor *r, dx_op *op, int fd, const void *data,
                                    uint32_t size, uint64_t offset)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_PWRITE, fd, data, size, offset);
}

DX_REACTOR_API int dx_reactor_fsync(dx_reactor *r, dx_op *op, int fd, bool data_only)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_FSYNC, fd, NULL, data_only, 0);
}

DX_REACTOR_API int dx_reactor_poll(dx_reactor *r, dx_op *op, int fd, uint32_t interest)
{
    if (!interest || (interest & ~(DX_REACTOR_READABLE | DX_REACTOR_WRITABLE)))
        return DX_REACTOR_EINVAL;
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_POLL, fd, NULL, interest, 0);
}

DX_REACTOR_API int dx_reactor_close_fd(dx_reactor *r, dx_op *op, int fd)
{
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_CLOSE, fd, NULL, 0, 0);
}

DX_REACTOR_API int dx_reactor_timer_at(dx_reactor *r, dx_op *op, uint64_t deadline_ns)
{
    int error = dx_reactor_p_prepare(r, op, DX_REACTOR_P_TIMER, -1, NULL, 0);
    if (!error) dx_reactor_p_timer_insert(r, op, deadline_ns);
    return error;
}

DX_REACTOR_API int dx_reactor_timer(dx_reactor *r, dx_op *op, uint64_t delay_ns)
{
    if (!r || !r->open_) return DX_REACTOR_EINVAL;
    return dx_reactor_timer_at(r, op, dx_reactor_p_due_in(r, delay_ns));
}

DX_REACTOR_API int dx_reactor_timer_move(dx_reactor *r, dx_op *op, uint64_t deadline_ns)
{
    if (!r || !op) return DX_REACTOR_EINVAL;
    if (op->state_ != DX_REACTOR_P_TIMING) return DX_REACTOR_ENOTFOUND;
    if (deadline_ns >= op->offset_) {
        op->offset_ = deadline_ns; /* its slot is reached first, and moves it then */
    } else {
        dx_reactor_p_timer_remove(r, op);
        dx_reactor_p_timer_insert(r, op, deadline_ns);
    }
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_deadline(dx_reactor *r, dx_op *op, dx_op *target, uint64_t timeout_ns)
{
    int error;
    if (!target) return DX_REACTOR_EINVAL;
    if (target->state_ == DX_REACTOR_P_IDLE || target->state_ == DX_REACTOR_P_DONE)
        return DX_REACTOR_ENOTFOUND;
    if ((target->flags_ & (DX_REACTOR_P_F_MULTISHOT | DX_REACTOR_P_F_LIMITED)) ||
        target->kind_ == DX_REACTOR_P_SHUTDOWN ||
        (target->kind_ > DX_REACTOR_P_POLL && target->kind_ != DX_REACTOR_P_RECEIVE))
        return DX_REACTOR_EINVAL;
    error = dx_reactor_p_prepare(r, op, DX_REACTOR_P_DEADLINE, -1, NULL, 0);
    if (error) return error;
    op->u_.target = target;
    target->flags_ |= DX_REACTOR_P_F_LIMITED;
    target->offset_ = (uint64_t)(uintptr_t)op;
    dx_reactor_p_timer_insert(r, op, dx_reactor_p_due_in(r, timeout_ns));
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_receive(dx_reactor *r, dx_op *op, dx_reactor_message *messages,
                                      uint32_t count)
{
    int error;
    if (!messages || !count || count > INT32_MAX) return DX_REACTOR_EINVAL;
    error = dx_reactor_p_prepare(r, op, DX_REACTOR_P_RECEIVE, -1, messages, count);
    if (error) return error;
    op->state_ = DX_REACTOR_P_RECEIVING;
    dx_reactor_p_list_push(&r->receivers_, op);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_cancel(dx_reactor *r, dx_op *op)
{
    if (!r || !r->open_ || !op) return DX_REACTOR_EINVAL;
    return dx_reactor_p_cancel(r, op);
}

DX_REACTOR_API int dx_reactor_forget(dx_reactor *r, int fd)
{
    dx_reactor_p_fd *e;
    if (!r || !r->open_ || fd < 0) return DX_REACTOR_EINVAL;
    e = dx_reactor_p_fd_find(r, fd);
    if (e && !dx_reactor_p_fd_idle(e)) return DX_REACTOR_EAGAIN;
    if (e) dx_reactor_p_detach(r, e);
    dx_reactor_p_fd_fresh(r, fd);
    return DX_REACTOR_OK;
}

DX_REACTOR_API uint64_t dx_reactor_now_ns(const dx_reactor *r)
{
    return r ? r->now_ : 0;
}

DX_REACTOR_API uint64_t dx_reactor_refresh_now_ns(dx_reactor *r)
{
    if (!r) return 0;
    r->now_ = dx_reactor_p_clock(r);
    return r->now_;
}

DX_REACTOR_API uint32_t dx_reactor_pending(const dx_reactor *r)
{
    return r ? r->pending_ : 0;
}

DX_REACTOR_API int dx_reactor_sys_errno(const dx_reactor *r)
{
    return r ? r->sys_errno_ : 0;
}

DX_REACTOR_API void dx_reactor_get_stats(const dx_reactor *r, dx_reactor_stats *stats)
{
    if (!stats) return;
    DX_REACTOR_MEMSET(stats, 0, sizeof *stats);
    if (!r) return;
    *stats = r->stats_;
    stats->started = stats->completed + r->pending_;
}

DX_REACTOR_API int dx_reactor_post(dx_reactor *r, const dx_reactor_message *message)
{
    dx_reactor_p_cell *cell;
    uint32_t at;
    if (!r || !message) return DX_REACTOR_EINVAL;
    at = DX_REACTOR_P_LOAD(uint32_t, &r->post_tail_, RELAXED);
    for (;;) {
        uint32_t ahead; /* distance from `at`; more than half: the cell lags */
        cell = &r->cells_[at & r->post_mask_];
        ahead = DX_REACTOR_P_LOAD(uint32_t, &cell->sequence, ACQUIRE) - at;
        if (ahead == 0) {
            if (DX_REACTOR_P_SWAP_IF(&r->post_tail_, &at, at + 1, true, RELAXED))
                break;
        } else if (ahead > UINT32_MAX / 2) {
            return DX_REACTOR_EAGAIN; /* full: the message of the previous lap is still there */
        } else {
            at = DX_REACTOR_P_LOAD(uint32_t, &r->post_tail_, RELAXED);
        }
    }
    DX_REACTOR_MEMCPY(cell->words, message->words, sizeof cell->words);
    DX_REACTOR_P_STORE(&cell->sequence, at + 1, SEQ_CST);
    dx_reactor_p_notify(r);
    return DX_REACTOR_OK;
}

DX_REACTOR_API void dx_reactor_wake(dx_reactor *r)
{
    if (!r) return;
    (void)DX_REACTOR_P_OR(&r->wake_, 1, SEQ_CST);
    dx_reactor_p_notify(r);
}

DX_REACTOR_API void dx_reactor_stop(dx_reactor *r)
{
    if (!r) return;
    (void)DX_REACTOR_P_OR(&r->wake_, 3, SEQ_CST);
    dx_reactor_p_notify(r);
}

/* Split "HOST:PORT". The host is copied to host[46], without brackets. */
static bool dx_reactor_p_split(const char *text, char *host, uint32_t *port, bool *six)
{
    char end = ':';
    size_t used = 0;
    size_t digits = 0;
    *six = *text == '[';
    if (*six) {
        end = ']';
        text++;
    }
    while (*text && *text != end && used < 45) {
        host[used] = *text;
        used++;
        text++;
    }
    host[used] = 0;
    if (*six && *text == ']') text++;
    if (*text != ':' || !used) return false;
    text++;
    for (*port = 0; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        *port = *port * 10 + (uint32_t)(text[digits] - '0');
    return digits && digits < 6 && !text[digits] && *port <= 65535;
}

/* Offset of the host in an address. The port is at offset 2, big-endian. */
static size_t dx_reactor_p_host_at(bool six)
{
    return six ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr);
}

static int dx_reactor_p_family(const dx_reactor_address *address)
{
    struct sockaddr a;
    if (!address || address->size < offsetof(struct sockaddr, sa_data)) return 0;
    DX_REACTOR_MEMCPY(&a, address->bytes, sizeof a);
    return a.sa_family;
}

static void dx_reactor_p_family_set(dx_reactor_address *address, int family)
{
    struct sockaddr a;
    DX_REACTOR_MEMSET(&a, 0, sizeof a);
    a.sa_family = (unsigned char)family; /* families are small; macOS has one byte for them */
    DX_REACTOR_MEMCPY(address->bytes, &a, sizeof a);
}

/* Unix addresses ("unix:" and a path) on systems that have them: the family, then the path.

       family | path ... 0           a file; the size includes the zero
       family | 0 | name ...         abstract name, Linux only; the size ends with the name      */
static const char dx_reactor_p_unix[] = "unix:";

#if defined(_WIN32)
static int dx_reactor_p_unix_parse(dx_reactor_address *address, const char *path)
{
    (void)address;
    (void)path;
    return DX_REACTOR_EINVAL;
}

static size_t dx_reactor_p_unix_path(const dx_reactor_address *address, char *path)
{
    (void)address;
    (void)path;
    return 0;
}
#else
static int dx_reactor_p_unix_parse(dx_reactor_address *address, const char *path)
{
    uint8_t *to = address->bytes + offsetof(struct sockaddr_un, sun_path);
    const uint8_t *end = address->bytes + sizeof(struct sockaddr_un);
    const bool name = *path == '@';
    DX_REACTOR_ASSERT(!*to);
  #if !defined(__linux__)
    if (name) return DX_REACTOR_EINVAL;
  #endif
    dx_reactor_p_family_set(address, AF_UNIX);
    if (name) {
        to++; /* after a zero */
        path++;
    }
    if (!*path) return DX_REACTOR_EINVAL;
    while (*path && to < end) *to++ = (uint8_t)*path++;
    if (to == end) return DX_REACTOR_EINVAL;
    address->size = (uint32_t)(to - address->bytes) + !name; /* with the zero of a file's path */
    return DX_REACTOR_OK;
}

/* Write the path of a unix address as the parser accepts it. Returns its length; 0: no path. */
static size_t dx_reactor_p_unix_path(const dx_reactor_address *address,
                                     char path[DX_REACTOR_ADDRESS_TEXT_SIZE])
{
    const size_t at = offsetof(struct sockaddr_un, sun_path);
    size_t room;
    size_t size = 0;
    if (dx_reactor_p_family(address) != AF_UNIX || address->size <= at ||
        address->size > sizeof(struct sockaddr_un))
        return 0;
    room = address->size - at;
    if (!address->bytes[at]) path[size++] = '@'; /* an abstract name */
    if (size == room) return 0;
    for (; size < room && address->bytes[at + size]; size++)
        path[size] = (char)address->bytes[at + size];
    path[size] = 0;
    return path[0] == '@' && size < room ? 0 : size; /* 0: a zero inside an abstract name */
}
#endif

DX_REACTOR_API int dx_reactor_address_parse(dx_reactor_address *address, const char *text)
{
    char host[46];
    uint32_t port;
    size_t i = 0;
    int family;
    bool six;
    if (!address || !text) return DX_REACTOR_EINVAL;
    DX_REACTOR_MEMSET(address, 0, sizeof *address);
    while (dx_reactor_p_unix[i] && text[i] == dx_reactor_p_unix[i]) i++;
    if (!dx_reactor_p_unix[i]) return dx_reactor_p_unix_parse(address, text + i);
    if (!dx_reactor_p_split(text, host, &port, &six)) return DX_REACTOR_EINVAL;
    family = six ? AF_INET6 : AF_INET;
    dx_reactor_p_family_set(address, family);
    address->bytes[2] = (uint8_t)(port >> 8);
    address->bytes[3] = (uint8_t)port;
    if (inet_pton(family, host, address->bytes + dx_reactor_p_host_at(six)) != 1)
        return DX_REACTOR_EINVAL;
    address->size = (uint32_t)(six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    return DX_REACTOR_OK;
}

/* Decode an IP address: AF_INET, AF_INET6 or 0 (neither); port and host bytes. */
static int dx_reactor_p_address_parts(const dx_reactor_address *address, uint16_t *port,
                                      const uint8_t **host)
{
    const int family = dx_reactor_p_family(address);
    if (family != AF_INET && family != AF_INET6) return 0;
    if (address->size < sizeof(struct sockaddr_in)) return 0;
    if (family == AF_INET6 && address->size < sizeof(struct sockaddr_in6)) return 0;
    *port = (uint16_t)(address->bytes[2] << 8 | address->bytes[3]);
    *host = address->bytes + dx_reactor_p_host_at(family == AF_INET6);
    return family;
}

DX_REACTOR_API int dx_reactor_address_format(const dx_reactor_address *address, char *text,
                                             size_t capacity)
{
    char whole[DX_REACTOR_ADDRESS_TEXT_SIZE], host[DX_REACTOR_ADDRESS_TEXT_SIZE];
    const uint8_t *bytes = NULL;
    uint16_t port = 0;
    size_t used = 0;
    int family = dx_reactor_p_address_parts(address, &port, &bytes);
    if (!text) return DX_REACTOR_EINVAL;
    if (!family) {
        if (!dx_reactor_p_unix_path(address, host)) return DX_REACTOR_EINVAL;
        used = dx_reactor_p_append(whole, used, sizeof whole, dx_reactor_p_unix);
        used = dx_reactor_p_append(whole, used, sizeof whole, host);
    } else {
        if (!inet_ntop(family, bytes, host, sizeof host)) return DX_REACTOR_EINVAL;
        if (family == AF_INET6) used = dx_reactor_p_append(whole, used, sizeof whole, "[");
        used = dx_reactor_p_append(whole, used, sizeof whole, host);
        used = dx_reactor_p_append(whole, used, sizeof whole, family == AF_INET6 ? "]:" : ":");
        used = dx_reactor_p_append_number(whole, used, sizeof whole, port);
    }
    if (used >= capacity) return DX_REACTOR_ENOSPACE;
    DX_REACTOR_MEMCPY(text, whole, used + 1);
    return DX_REACTOR_OK;
}

DX_REACTOR_API uint16_t dx_reactor_address_port(const dx_reactor_address *address)
{
    const uint8_t *host;
    uint16_t port = 0;
    dx_reactor_p_address_parts(address, &port, &host);
    return port;
}

/* Set the options that an IP socket needs before bind. 0 or -1: dx_reactor_p_last_errno(). */
static int dx_reactor_p_bind_options(int fd, int family, uint32_t flags, int backlog)
{
    DX_REACTOR_ASSERT(fd >= 0 && (family == AF_INET || family == AF_INET6));
    if ((backlog > 0 || (flags & DX_REACTOR_REUSEPORT)) &&
        dx_reactor_p_sockopt(fd, SOL_SOCKET, DX_REACTOR_P_BIND_OPTION, 1) != 0)
        return -1;
    if ((flags & DX_REACTOR_REUSEPORT) &&
        dx_reactor_p_sockopt(fd, SOL_SOCKET, DX_REACTOR_P_REUSEPORT, 1) != 0)
        return -1;
    if (family == AF_INET6)
        return dx_reactor_p_sockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                                    (flags & DX_REACTOR_V6ONLY) != 0);
    return 0;
}

/* Set options, bind, listen, get the bound address. 0 or -1: dx_reactor_p_last_errno(). */
static int dx_reactor_p_bind(int fd, int family, const dx_reactor_address *address, uint32_t flags,
                             int backlog, dx_reactor_address *bound)
{
    const dx_reactor_p_system_socket s = dx_reactor_p_socket_of(fd);
    const struct sockaddr *a = (const struct sockaddr *)(const void *)address->bytes;
    socklen_t size = sizeof address->bytes;
    if (family != AF_UNIX && dx_reactor_p_bind_options(fd, family, flags, backlog) != 0) return -1;
    if (bind(s, a, (socklen_t)address->size) != 0) return -1;
    if (backlog > 0 && listen(s, backlog) != 0) return -1;
    if (!bound) return 0;
    DX_REACTOR_MEMSET(bound, 0, sizeof *bound);
    if (getsockname(s, (struct sockaddr *)(void *)bound->bytes, &size) != 0) return -1;
    bound->size = (uint32_t)size;
    return 0;
}

/* The address family if a socket can be created for it, else 0. */
static int dx_reactor_p_usable(const dx_reactor_address *address, uint32_t flags)
{
    const int family = dx_reactor_p_family(address);
    if (family == AF_UNIX) return flags & DX_REACTOR_REUSEPORT ? 0 : family;
    if (family == AF_INET && address->size == sizeof(struct sockaddr_in)) return family;
    return family == AF_INET6 && address->size == sizeof(struct sockaddr_in6) ? family : 0;
}

/* Create a socket: backlog > 0: listening; 0: stream; < 0: datagram. */
static int dx_reactor_p_socket(dx_reactor *r, const dx_reactor_address *address, uint32_t flags,
                               int backlog, int *fd, dx_reactor_address *bound)
{
    const int family = dx_reactor_p_usable(address, flags);
    const bool no_delay = (flags & DX_REACTOR_NODELAY) && family != AF_UNIX; /* which has none */
    int made;
    int error;
    if (!family) return DX_REACTOR_EINVAL;
    if (r && r->open_ && r->backend_->socket)
        return r->backend_->socket(r, address, backlog, fd, bound);
    made = dx_reactor_p_make_socket(family, backlog < 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (made >= 0 &&
        (!no_delay || dx_reactor_p_sockopt(made, IPPROTO_TCP, TCP_NODELAY, 1) == 0) &&
        (!backlog || dx_reactor_p_bind(made, family, address, flags, backlog, bound) == 0)) {
        if (r && r->open_) dx_reactor_p_fd_fresh(r, made);
        *fd = made;
        return DX_REACTOR_OK;
    }
    error = dx_reactor_p_last_errno();
    if (made >= 0) dx_reactor_p_close_fd(r, made);
    errno = error;
    return dx_reactor_p_fail(r, error);
}

DX_REACTOR_API int dx_reactor_listen(dx_reactor *r, const dx_reactor_address *address,
                                     uint32_t flags, int backlog, int *fd,
                                     dx_reactor_address *bound)
{
    const uint32_t known = DX_REACTOR_REUSEPORT | DX_REACTOR_V6ONLY | DX_REACTOR_NODELAY;
    if (!fd || backlog < 0 || (flags & ~known)) return DX_REACTOR_EINVAL;
    return dx_reactor_p_socket(r, address, flags, backlog ? backlog : 1024, fd, bound);
}

DX_REACTOR_API int dx_reactor_bind_udp(dx_reactor *r, const dx_reactor_address *address,
                                       uint32_t flags, int *fd, dx_reactor_address *bound)
{
    if (!fd || (flags & ~(DX_REACTOR_REUSEPORT | DX_REACTOR_V6ONLY))) return DX_REACTOR_EINVAL;
    return dx_reactor_p_socket(r, address, flags, -1, fd, bound);
}

DX_REACTOR_API int dx_reactor_socket(dx_reactor *r, const dx_reactor_address *address,
                                     uint32_t flags, int *fd)
{
    if (!fd || (flags & ~DX_REACTOR_NODELAY)) return DX_REACTOR_EINVAL;
    return dx_reactor_p_socket(r, address, flags, 0, fd, NULL);
}

DX_REACTOR_API bool dx_reactor_is_success(const dx_completion *c)
{
    return c->result >= 0;
}

DX_REACTOR_API bool dx_reactor_is_error(const dx_completion *c)
{
    return c->result < 0;
}

DX_REACTOR_API uint32_t dx_reactor_bytes(const dx_completion *c)
{
    return c->result >= 0 ? (uint32_t)c->result : 0;
}

DX_REACTOR_API uint32_t dx_reactor_errno(const dx_completion *c)
{
    return c->result >= 0 ? 0 : 0u - (uint32_t)c->result;
}

/* >>extensions --------------------------------------------------------- */
DX_REACTOR_API int dx_reactor_ext_attach(dx_reactor *r, dx_reactor_extension *extension)
{
    if (!r || !r->open_ || !extension || !extension->flush) return DX_REACTOR_EINVAL;
    extension->due_ = false;
    extension->next_ = r->extensions_;
    r->extensions_ = extension;
    return DX_REACTOR_OK;
}

DX_REACTOR_API dx_reactor_extension *dx_reactor_ext_owner(const dx_reactor *r,
                                                          const void *address)
{
    dx_reactor_extension *x = r->extensions_;
    while (x && (uintptr_t)address - (uintptr_t)x->memory >= x->memory_size) x = x->next_;
    return x;
}

DX_REACTOR_API void dx_reactor_ext_flush_later(dx_reactor *r, dx_reactor_extension *extension)
{
    DX_REACTOR_ASSERT(extension->flush);
    extension->due_ = true;
    r->flush_due_ = true;
}

DX_REACTOR_API void dx_reactor_ext_op_init(dx_op *op, dx_op_fn *fn, int fd)
{
    DX_REACTOR_MEMSET(op, 0, sizeof *op);
    op->fn = fn;
    op->fd_ = fd;
}

DX_REACTOR_API int dx_reactor_ext_op_fd(const dx_op *op)
{
    return op->fd_;
}

DX_REACTOR_API int32_t dx_reactor_ext_shutdown_now(dx_reactor *r, int fd)
{
    return r->backend_->shutdown(r, fd);
}

DX_REACTOR_API int32_t dx_reactor_ext_close_now(dx_reactor *r, int fd)
{
    return r->backend_->close_fd(r, fd);
}

DX_REACTOR_API bool dx_reactor_ext_is_closing(const dx_reactor *r)
{
    return r->closing_;
}

DX_REACTOR_API uint32_t dx_reactor_ext_pool_count(const dx_reactor *r)
{
    return r && r->open_ ? r->buffers_ : 0;
}

DX_REACTOR_API uint32_t dx_reactor_ext_pool_size(const dx_reactor *r)
{
    return dx_reactor_ext_pool_count(r) ? r->buffer_size_ : 0;
}

DX_REACTOR_API int dx_reactor_ext_recv_single(dx_reactor *r, dx_op *op, int fd)
{
    const int flags = DX_REACTOR_P_F_MULTISHOT | DX_REACTOR_P_F_ONESHOT;
    if (!r || !r->buffers_) return DX_REACTOR_EINVAL;
    return dx_reactor_p_transfer(r, op, DX_REACTOR_P_RECV | flags << 8, fd, NULL, 0, 0);
}

DX_REACTOR_API void dx_reactor_ext_pool_hold(dx_reactor *r, bool on)
{
    DX_REACTOR_ASSERT(on || r->pool_holds_ > 0);
    r->pool_holds_ += on ? 1 : UINT32_MAX;
    while (!r->pool_holds_ && r->returned_) {
        DX_REACTOR_ASSERT(r->held_ >= r->returned_);
        r->returned_--;
        r->held_--;
        dx_reactor_p_pool_put(r, r->spare_[r->returned_]);
    }
}

DX_REACTOR_API uint64_t dx_reactor_ext_clock_ns(const dx_reactor *r)
{
    return r ? dx_reactor_p_clock(r) : dx_reactor_p_monotonic();
}

/* >>groups -------------------------------------------------------------
   A worker's tasks come from its deque, its inbox, and the deques of others:

            worker 0                                          worker 1
       inbox_  (a stack: any thread pushes,                  out of work:
          |     the owner takes all, reversed)               1. deque, 2. inbox, 3. completions,
          v                                                  4. steal, 5. sleep in its reactor
       [task][task][task][task]                                 |
        ^top_               ^bottom_                            |
        |                   '--- the owner pushes and pops      |
        '---------------------------- thieves pop --------------'

   No lost wake-up: a task may be pushed while all workers are going to sleep. A worker sets idle_,
   checks everything once more, then sleeps; a pusher wakes a worker whose idle_ is set. Both are
   sequentially consistent, so one of the two sees the other.

   Shutdown: stop_ is set and all workers are woken. A worker leaves its loop, but closes its
   reactor only when nobody can wake it any more: all workers have ended, join was called, and no
   call of stop is in progress. */
enum {
    DX_REACTOR_P_WORKERS_MAX = 1024,
    DX_REACTOR_P_CPUS_MAX    = 1024,
    DX_REACTOR_P_CPU_BITS    = 8 * sizeof(long), /* bits of a word of an affinity mask */
    DX_REACTOR_P_CPU_WORDS   = DX_REACTOR_P_CPUS_MAX / DX_REACTOR_P_CPU_BITS,
    DX_REACTOR_P_TASKS_MAX   = 1 << 20,
    DX_REACTOR_P_ROUND       = 64 /* tasks between two polls for completions */
};

DX_REACTOR_API dx_reactor_worker *dx_reactor_group_worker(const dx_reactor_group *g, uint32_t i)
{
    return g ? (dx_reactor_worker *)(void *)(g->workers_ + i * g->stride_) : NULL;
}

#if defined(__linux__)
/* Read the start of the file `folder` `name`, zero-terminated; empty if it does not exist. */
static size_t dx_reactor_p_slurp(const char *folder, const char *name, char *text, size_t capacity)
{
    size_t used = dx_reactor_p_append(text, 0, capacity, folder);
    long size;
    int fd;
    dx_reactor_p_append(text, used, capacity, name);
    fd = open(text, O_RDONLY);
    size = fd < 0 ? 0 : (long)read(fd, text, capacity - 1);
    if (fd >= 0) close(fd);
    used = size > 0 ? (size_t)size : 0;
    text[used] = 0;
    return used;
}

/* The CPU quota of the cgroup in this folder, in CPUs, rounded up; 0: no limit. */
static uint32_t dx_reactor_p_quota(const char *folder)
{
    char text[1024];
    const char *at = text;
    uint64_t quota;  /* microseconds of CPU time, */
    uint64_t period; /* per period of microseconds */
    if (!dx_reactor_p_slurp(folder, "/cpu.max", text, sizeof text)) { /* version 1: two files */
        size_t used = dx_reactor_p_slurp(folder, "/cpu.cfs_quota_us", text, sizeof text / 2);
        dx_reactor_p_slurp(folder, "/cpu.cfs_period_us", text + used, sizeof text - used);
    }
    quota = dx_reactor_p_parse_number(&at);
    if (*at) at++; /* a space, or the end of the first file */
    period = dx_reactor_p_parse_number(&at);
    return quota && period ? (uint32_t)((quota + period - 1) / period) : 0;
}

/* The smallest quota of this process's cgroup and its ancestors. root: "" except in tests. Lines of
   /proc/self/cgroup: "0::/path", and in version 1 "4:cpu,cpuacct:/path". */
static uint32_t dx_reactor_p_quotas(const char *root)
{
    char text[4096], path[1024];
    const char *at = text;
    uint32_t min = 0;
    dx_reactor_p_slurp(root, "/proc/self/cgroup", text, sizeof text);
    while (*at) {
        size_t top = dx_reactor_p_append(path, 0, sizeof path, root);
        size_t used;
        while (*at && *at++ != ':') {}
        top = dx_reactor_p_append(path, top, sizeof path, *at == ':' ? "/sys/fs/cgroup" :
                                  "/sys/fs/cgroup/cpu");
        while (*at && *at++ != ':') {}
        for (used = top; *at && *at != '\n' && used + 1 < sizeof path;) path[used++] = *at++;
        while (*at && *at++ != '\n') {}
        for (;;) {
            uint32_t quota;
            path[used] = 0;
            quota = dx_reactor_p_quota(path);
            if (quota && (!min || quota < min)) min = quota;
            if (used == top) break;
            do used--;
            while (used > top && path[used] != '/');
        }
    }
    return min;
}

#endif

/* Get the affinity mask of this thread. Returns its number of CPUs; 0: unknown. */
static uint32_t dx_reactor_p_affinity(unsigned long *words)
{
    const size_t size = DX_REACTOR_P_CPU_WORDS * sizeof *words;
    uint32_t count = 0;
    uint32_t i;
    DX_REACTOR_MEMSET(words, 0, size);
#if defined(_WIN32)
    DWORD_PTR mask, all;
    if (GetProcessAffinityMask(GetCurrentProcess(), &mask, &all))
        DX_REACTOR_MEMCPY(words, &mask, sizeof mask);
#elif defined(SYS_sched_getaffinity)
    if (syscall(SYS_sched_getaffinity, 0L, size, words) < 0) return 0;
#endif
    for (i = 0; i < DX_REACTOR_P_CPUS_MAX; i++)
        count += (uint32_t)(words[i / DX_REACTOR_P_CPU_BITS] >> i % DX_REACTOR_P_CPU_BITS & 1);
    return count;
}

/* Pin this thread to the n-th CPU of its affinity mask. Returns the CPU, or -1. */
static int32_t dx_reactor_p_pin(uint32_t n)
{
    unsigned long words[DX_REACTOR_P_CPU_WORDS];
    const uint32_t count = dx_reactor_p_affinity(words);
    uint32_t i;
    if (!count) return -1;
    n %= count;
    for (i = 0;; i++) {
        DX_REACTOR_ASSERT(i < DX_REACTOR_P_CPUS_MAX);
        if (!(words[i / DX_REACTOR_P_CPU_BITS] >> i % DX_REACTOR_P_CPU_BITS & 1)) continue;
        if (n == 0) break;
        n--;
    }
    DX_REACTOR_MEMSET(words, 0, sizeof words);
    words[i / DX_REACTOR_P_CPU_BITS] = 1ul << i % DX_REACTOR_P_CPU_BITS;
#if defined(_WIN32)
    DWORD_PTR mask;
    DX_REACTOR_MEMCPY(&mask, words, sizeof mask);
    if (SetThreadAffinityMask(GetCurrentThread(), mask)) return (int32_t)i;
#elif defined(SYS_sched_setaffinity)
    if (syscall(SYS_sched_setaffinity, 0L, sizeof words, words) == 0) return (int32_t)i;
#endif
    return -1;
}

DX_REACTOR_API uint32_t dx_reactor_cpu_count(int *limit)
{
    unsigned long words[DX_REACTOR_P_CPU_WORDS];
    uint32_t limits[3] = {0, 0, 0}; /* by DX_REACTOR_CPUS_; 0: no limit */
    uint32_t count;
    uint32_t i;
#if defined(_WIN32)
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    count = info.dwNumberOfProcessors;
#else
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    count = online > 0 ? (uint32_t)online : 1;
#endif
    limits[DX_REACTOR_CPUS_AFFINITY] = dx_reactor_p_affinity(words);
#if defined(__linux__)
    limits[DX_REACTOR_CPUS_QUOTA] = dx_reactor_p_quotas("");
#endif
    if (limit) *limit = DX_REACTOR_CPUS_ONLINE;
    for (i = 1; i < 3; i++) {
        if (!limits[i] || limits[i] >= count) continue;
        count = limits[i];
        if (limit) *limit = (int)i;
    }
    return count;
}

/* The deque of Chase and Lev ("Dynamic circular work-stealing deque", 2005) with a fixed ring.
   Sequentially consistent accesses replace the fences of Le, Pop, Cohen and Zappa Nardelli (2013).
   Returns false if full. */
static bool dx_reactor_p_deque_push(dx_reactor_worker *w, dx_reactor_task *task)
{
    uintptr_t bottom = DX_REACTOR_P_LOAD(uintptr_t, &w->bottom_, RELAXED);
    DX_REACTOR_ASSERT((w->mask_ & (w->mask_ + 1)) == 0);
    if (bottom - DX_REACTOR_P_LOAD(uintptr_t, &w->top_, ACQUIRE) > w->mask_) return false;
    DX_REACTOR_P_STORE(&w->tasks_[bottom & w->mask_], task, RELAXED);
    DX_REACTOR_P_STORE(&w->bottom_, bottom + 1, SEQ_CST);
    return true;
}

/* Take the task at index top; NULL: another thread was faster. */
static dx_reactor_task *dx_reactor_p_deque_claim(dx_reactor_worker *w, uintptr_t top)
{
    dx_reactor_task *task = DX_REACTOR_P_LOAD(dx_reactor_task *, &w->tasks_[top & w->mask_],
                                              RELAXED);
    return DX_REACTOR_P_SWAP_IF(&w->top_, &top, top + 1, false, SEQ_CST) ? task : NULL;
}

/* Pop the newest task, owner only. For the last one, owner and thieves compete by a claim. */
static dx_reactor_task *dx_reactor_p_deque_pop(dx_reactor_worker *w)
{
    const uintptr_t bottom = DX_REACTOR_P_LOAD(uintptr_t, &w->bottom_, RELAXED) - 1;
    dx_reactor_task *task = NULL;
    uintptr_t top;
    DX_REACTOR_P_STORE(&w->bottom_, bottom, SEQ_CST);
    top = DX_REACTOR_P_LOAD(uintptr_t, &w->top_, SEQ_CST);
    if ((intptr_t)(bottom - top) > 0)
        return DX_REACTOR_P_LOAD(dx_reactor_task *, &w->tasks_[bottom & w->mask_], RELAXED);
    if (bottom == top) task = dx_reactor_p_deque_claim(w, top); /* the last one */
    DX_REACTOR_P_STORE(&w->bottom_, bottom + 1, RELAXED);
    return task;
}

/* True: nothing to steal. Otherwise *top is the index to claim. */
static bool dx_reactor_p_deque_empty(const dx_reactor_worker *w, uintptr_t *top)
{
    *top = DX_REACTOR_P_LOAD(uintptr_t, &w->top_, SEQ_CST);
    return (intptr_t)(DX_REACTOR_P_LOAD(uintptr_t, &w->bottom_, SEQ_CST) - *top) <= 0;
}

/* Next of the worker's own tasks: the newest of its deque, else the oldest of its inbox. */
static dx_reactor_task *dx_reactor_p_worker_next(dx_reactor_worker *w)
{
    dx_reactor_task *task = dx_reactor_p_deque_pop(w);
    if (task) {
        w->from_deque++;
        return task;
    }
    if (!w->ready_ && DX_REACTOR_P_LOAD(dx_reactor_task *, &w->inbox_, RELAXED)) {
        task = DX_REACTOR_P_EXCHANGE(dx_reactor_task *, &w->inbox_, NULL, ACQUIRE);
        while (task) { /* reverse: oldest first */
            dx_reactor_task *older = task->next;
            task->next = w->ready_;
            w->ready_ = task;
            task = older;
        }
    }
    task = w->ready_;
    if (!task) return NULL;
    w->ready_ = task->next;
    w->from_inbox++;
    return task;
}

/* Steal a task from another worker. task NULL: only check. False: none, or others were faster. */
static bool dx_reactor_p_worker_steal(dx_reactor_worker *w, dx_reactor_task **task)
{
    const dx_reactor_group *g = w->group;
    uint32_t i;
    for (i = 1; i < g->count; i++) {
        dx_reactor_worker *victim = dx_reactor_group_worker(g, (w->index + i) % g->count);
        uintptr_t top;
        DX_REACTOR_ASSERT(victim != w);
        if (dx_reactor_p_deque_empty(victim, &top)) continue;
        if (!task) return true;
        *task = dx_reactor_p_deque_claim(victim, top);
        if (!*task) continue;
        w->stolen++;
        return true;
    }
    return false;
}

/* Run until the group ends. OK, or an error of the reactor. */
static int dx_reactor_p_worker_loop(dx_reactor_worker *w)
{
    const uint32_t *stop = &w->group->stop_;
    for (;;) {
        dx_reactor_task *task = NULL;
        uint32_t ran = 0;
        bool sleep = false;
        int done;
        while (ran < DX_REACTOR_P_ROUND && !DX_REACTOR_P_LOAD(uint32_t, stop, SEQ_CST) &&
               (task = dx_reactor_p_worker_next(w)) != NULL) {
            task->fn(task, w);
            ran++;
        }
        if (DX_REACTOR_P_LOAD(uint32_t, stop, SEQ_CST)) return DX_REACTOR_OK;
        if (!ran) { /* either a pusher sees idle_, or its task is seen here */
            DX_REACTOR_P_STORE(&w->idle_, 1, SEQ_CST);
            sleep = !dx_reactor_p_worker_steal(w, NULL) &&
                    !DX_REACTOR_P_LOAD(uint32_t, stop, SEQ_CST) &&
                    !DX_REACTOR_P_LOAD(dx_reactor_task *, &w->inbox_, SEQ_CST);
        }
        w->sleeps += sleep;
        done = dx_reactor_run_once(&w->reactor, sleep ? DX_REACTOR_FOREVER : 0);
        if (done < 0) return done;
        if (ran) continue;
        DX_REACTOR_P_STORE(&w->idle_, 0, RELAXED);
        if (done || sleep) continue;
        task = dx_reactor_p_worker_next(w);
        if (task || dx_reactor_p_worker_steal(w, &task)) task->fn(task, w);
    }
}

/* Wait for other threads of the group by polling; only at its start and end. */
static void dx_reactor_p_await(const uint32_t *value, uint32_t wanted)
{
    while (DX_REACTOR_P_LOAD(uint32_t, value, SEQ_CST) < wanted) {
#if defined(_WIN32)
        Sleep(1);
#else
        poll(NULL, 0, 1);
#endif
    }
}

/* Main function of a worker. Closes its reactor only when nobody can wake it any more. */
#if defined(_WIN32)
static DWORD WINAPI dx_reactor_p_worker_main(void *self)
#else
static void *dx_reactor_p_worker_main(void *self)
#endif
{
    dx_reactor_worker *w = (dx_reactor_worker *)self;
    dx_reactor_group *g = w->group;
    dx_reactor_desc desc = g->desc.reactor;
    DX_REACTOR_ASSERT(w->index < g->desc.workers);
    desc.memory = w + 1;
    desc.memory_size = dx_reactor_memory_size(&desc);
    w->cpu = g->desc.no_pin ? -1 : dx_reactor_p_pin(w->index);
    w->error_ = dx_reactor_open(&w->reactor, &desc);
    if (!w->error_ && g->desc.start) w->error_ = g->desc.start(w);
    (void)DX_REACTOR_P_ADD(&g->begun_, 1, SEQ_CST);
    dx_reactor_p_await(&g->begun_, g->desc.workers);
    if (!w->error_) {
        w->error_ = dx_reactor_p_worker_loop(w);
        if (w->error_) dx_reactor_group_stop(g);
        if (g->desc.stop) g->desc.stop(w);
    }
    (void)DX_REACTOR_P_ADD(&g->ended_, 1, SEQ_CST);
    dx_reactor_p_await(&g->ended_, g->desc.workers);
    dx_reactor_p_await(&g->joining_, 1);
    dx_reactor_p_await(&g->stopped_, DX_REACTOR_P_LOAD(uint32_t, &g->stopping_, SEQ_CST));
    dx_reactor_close(&w->reactor);
    return 0;
}

/* Number of workers, and bytes for one: itself, its reactor's memory, its
   deque. 0: out of range. */
static size_t dx_reactor_p_group_plan(const dx_reactor_group_desc *d, uint32_t *count,
                                      uint32_t *deque)
{
    size_t size = dx_reactor_memory_size(&d->reactor);
    *count = d->workers || d->fixed ? d->workers : dx_reactor_cpu_count(NULL);
    if (d->tasks_max > DX_REACTOR_P_TASKS_MAX || !size) return 0;
    if (*count < 1 || *count > DX_REACTOR_P_WORKERS_MAX) return 0;
    *deque = dx_reactor_p_power_of_two(d->tasks_max ? d->tasks_max : 1024);
    size += sizeof(dx_reactor_worker) + (*deque + 1) * sizeof(dx_reactor_task *) + 127;
    size = size / 64 * 64;                                         /* whole cache lines */
    return size <= SIZE_MAX / (DX_REACTOR_P_WORKERS_MAX + 1) ? size : 0; /* the sum fits a size_t */
}

DX_REACTOR_API size_t dx_reactor_group_memory_size(const dx_reactor_group_desc *desc)
{
    uint32_t count = 0;
    uint32_t deque;
    const size_t size = desc ? dx_reactor_p_group_plan(desc, &count, &deque) : 0;
    return size ? size * count + 63 : 0;
}

/* Start the threads and wait until all run, or report why they do not. */
static int dx_reactor_p_group_launch(dx_reactor_group *g)
{
    uint32_t i;
    uint32_t made;
    int error = DX_REACTOR_OK;
    DX_REACTOR_ASSERT(g->count == g->desc.workers);
    for (made = 0; made < g->count; made++) {
        dx_reactor_worker *w = dx_reactor_group_worker(g, made);
        if (dx_reactor_p_thread_start(&w->thread_, dx_reactor_p_worker_main, w) != 0) break;
    }
    if (made < g->count) { /* the started ones wait for all: count the missing ones as ended */
        error = DX_REACTOR_ESYS;
        g->count = made;
        (void)DX_REACTOR_P_ADD(&g->ended_, g->desc.workers - made, SEQ_CST);
        (void)DX_REACTOR_P_ADD(&g->begun_, g->desc.workers - made, SEQ_CST);
    }
    dx_reactor_p_await(&g->begun_, g->desc.workers);
    for (i = 0; i < made && !error; i++) error = dx_reactor_group_worker(g, i)->error_;
    return error;
}

DX_REACTOR_API int dx_reactor_group_start(dx_reactor_group *g, const dx_reactor_group_desc *desc)
{
    uint32_t i;
    uint32_t deque = 0;
    int error;
    if (!g || !desc) return DX_REACTOR_EINVAL;
    DX_REACTOR_MEMSET(g, 0, sizeof *g);
    g->desc = *desc;
    g->stride_ = dx_reactor_p_group_plan(desc, &g->count, &deque);
    if (!g->stride_) return DX_REACTOR_EINVAL;
    if (!desc->memory || desc->memory_size < g->stride_ * g->count + 63) return DX_REACTOR_ENOMEM;
    g->workers_ = (uint8_t *)desc->memory + (0 - (uintptr_t)desc->memory) % 64;
    g->desc.workers = g->count;
    DX_REACTOR_MEMSET(g->workers_, 0, g->stride_ * g->count);
    for (i = 0; i < g->count; i++) {
        dx_reactor_worker *w = dx_reactor_group_worker(g, i);
        DX_REACTOR_ASSERT((uintptr_t)w % 64 == 0);
        w->group = g;
        w->index = i;
        w->mask_ = deque - 1;
        w->tasks_ = (dx_reactor_task **)(void *)((uint8_t *)w + g->stride_) - deque;
    }
    error = dx_reactor_p_group_launch(g);
    if (!error) return DX_REACTOR_OK;
    dx_reactor_group_stop(g);
    dx_reactor_group_join(g);
    return error;
}

DX_REACTOR_API void dx_reactor_group_stop(dx_reactor_group *g)
{
    uint32_t i;
    (void)DX_REACTOR_P_ADD(&g->stopping_, 1, SEQ_CST);
    DX_REACTOR_P_STORE(&g->stop_, 1, SEQ_CST);
    for (i = 0; i < g->count; i++) dx_reactor_wake(&dx_reactor_group_worker(g, i)->reactor);
    (void)DX_REACTOR_P_ADD(&g->stopped_, 1, SEQ_CST);
}

DX_REACTOR_API int dx_reactor_group_join(dx_reactor_group *g)
{
    int error = DX_REACTOR_OK;
    uint32_t i;
    DX_REACTOR_P_STORE(&g->joining_, 1, SEQ_CST);
    for (i = 0; i < g->count; i++) {
        dx_reactor_worker *w = dx_reactor_group_worker(g, i);
        dx_reactor_p_thread_join(w->thread_);
        if (!error) error = w->error_;
    }
    return error;
}

DX_REACTOR_API int dx_reactor_group_submit(dx_reactor_group *g, uint32_t worker,
                                           dx_reactor_task *task)
{
    dx_reactor_task *newest;
    dx_reactor_worker *w;
    if (!g || !task || !task->fn) return DX_REACTOR_EINVAL;
    if (worker == DX_REACTOR_ANY)
        worker = DX_REACTOR_P_ADD(&g->next_, 1, RELAXED) % g->count;
    if (worker >= g->count) return DX_REACTOR_EINVAL;
    w = dx_reactor_group_worker(g, worker);
    newest = DX_REACTOR_P_LOAD(dx_reactor_task *, &w->inbox_, RELAXED);
    do task->next = newest;
    while (!DX_REACTOR_P_SWAP_IF(&w->inbox_, &newest, task, true, SEQ_CST));
    dx_reactor_wake(&w->reactor);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_worker_push(dx_reactor_worker *w, dx_reactor_task *task)
{
    const dx_reactor_group *g = w->group;
    uint32_t i;
    if (!task || !task->fn) return DX_REACTOR_EINVAL;
    if (!dx_reactor_p_deque_push(w, task)) return DX_REACTOR_EAGAIN;
    for (i = 1; i < g->count; i++) { /* wake one idle worker: it will steal */
        dx_reactor_worker *other = dx_reactor_group_worker(g, (w->index + i) % g->count);
        if (DX_REACTOR_P_LOAD(uint32_t, &other->idle_, SEQ_CST) &&
            DX_REACTOR_P_EXCHANGE(uint32_t, &other->idle_, 0, SEQ_CST)) {
            dx_reactor_wake(&other->reactor);
            break;
        }
    }
    return DX_REACTOR_OK;
}

#endif /* DX_REACTOR_IMPLEMENTATION */

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
