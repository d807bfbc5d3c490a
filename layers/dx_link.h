/*  dx_link.h - v0.3.0 - HBTP over the reactor: sessions with their connections, by handle
              - MIT-0 or public domain, see end of file

    A layer on dx_hbtp.h, dx_peers.h and dx_window.h, and so on dx_reactor.h. A "link" is a
    connection and the HBTP session on it. The layer receives, feeds, buffers input that cannot be
    dispatched yet, sends, tells a peer that does not read from one that is silent, connects, drains
    and closes; the program only handles the messages.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (or DX_LINK_IMPLEMENTATION, and those of dx_hbtp.h,
        #include "layers/dx_link.h"            dx_peers.h, dx_window.h and dx_reactor.h)

    and include it elsewhere without the define. Where dx_hbtp.h and dx_reactor.h are not one folder
    up, include them first.

    QUICK EXAMPLE

        static int on_echo(const dx_hbtp_context *c)     // an RPC method: the same bytes
        {
            return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload,
                                              c->payload_size);
        }

        static void on_result(dx_hbtp_session *s, const dx_hbtp_result *result)
        {
            printf("%s\n", result->error ? dx_hbtp_error_name(result->error) : "answered");
            dx_reactor_stop(dx_link_of(s)->reactor);
        }

        int main(void)
        {
            static uint64_t memory[2][1 << 17];
            static dx_reactor r;
            static dx_hbtp_router router;
            static dx_link links;                        // of both sides here
            dx_reactor_address at;
            dx_reactor_desc desc;
            dx_link_desc link;
            dx_link_id id;
            int listening;
            memset(&desc, 0, sizeof desc);
            desc.memory = memory[0];
            desc.memory_size = sizeof memory[0];
            desc.buffer_count = 8;                       // the pool, for input
            dx_hbtp_router_init(&router);
            dx_hbtp_router_set_method(&router, 1, on_echo, NULL);
            memset(&link, 0, sizeof link);
            link.memory = memory[1];
            link.memory_size = sizeof memory[1];
            link.links_max = 4;
            link.block_count = 8;
            link.session.router = &router;
            link.session.on_result = on_result;
            dx_reactor_address_parse(&at, "127.0.0.1:0");
            if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;
            if (dx_reactor_listen(&r, &at, 0, 0, &listening, &at) != DX_REACTOR_OK) return 2;
            if (dx_link_open(&links, &r, &link) != DX_LINK_OK) return 3;
            if (dx_link_listen(&links, listening) != DX_LINK_OK) return 4;
            if (dx_link_connect(&links, &at, &id) != DX_LINK_OK) return 5;
            dx_hbtp_call(dx_link_session(&links, id), 1, "hello", 5, UINT64_MAX, NULL, NULL);
            dx_reactor_run(&r);
            return dx_reactor_close(&r);
        }

    CONTENTS (search >>)
        config  errors  types  api  platform  links  due  output  input  service  dialers
        callbacks  public  license

    HOW IT WORKS
        Use the functions of dx_hbtp.h on a link's session as if it were the peer: dx_hbtp_call(),
        dx_hbtp_send(), dx_hbtp_reply(), dx_hbtp_publish() ... at any time on the reactor's thread.
        Their output is sent before the reactor waits next. Do not call feed, tick, abort, close,
        session_set_out: the layer does. After writing to a session directly, outside of a handler,
        call dx_link_wake().

    GUARANTEES  No allocation, no global, no printing, no recursion. `closed` is called exactly once
                for each link, and is its last callback; all requests and streams of the session
                have ended before it. A handle never names a later link. A peer that does not read,
                or sends faster than it is answered, holds at most out_size, high_water and what the
                reactor's pool had received; it does not block other peers.
    LIMITS      As dx_peers.h. Needs desc.buffer_count of the reactor, and dx_reactor_run() or
                dx_reactor_run_once(). No session->cipher.
    SIZE        code: x86-64 10,164; objects: dx_link 1,080, dx_link_dialer 192, plus
                dx_link_memory_size()
    THREADS     One: the reactor's. For more, a reactor and a dx_link for each.
    CONFIG      DX_LINK_STATIC, DX_LINK_API, DX_LINK_ASSERT(c), DX_LINK_MEMSET
    ERRORS      dx_link_error: 0 = ok, negative = reason, with the values of dx_reactor_error.
                `closed` receives 0 or -errno; session->error has more detail.
    OWNERSHIP   The caller owns every object and buffer; desc.memory and *l are borrowed until
                dx_reactor_close(). A descriptor belongs to its link, which closes it.
    FORMAT      docs/formats/hbtp.md, normative
*/
#ifndef DX_LINK_H
#define DX_LINK_H

#define DX_LINK_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_HBTP_H
  #include "../dx_hbtp.h"
#endif
#ifndef DX_PEERS_H
  #include "dx_peers.h"
#endif
#ifndef DX_WINDOW_H
  #include "dx_window.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_LINK_API
  #ifdef DX_LINK_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_LINK_API static __attribute__((unused))
    #else
      #define DX_LINK_API static
    #endif
  #else
    #define DX_LINK_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_LINK_ERRORS(X)                                                                          \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its documented contract */                             \
    X(-2, ENOMEM)     /* desc.memory is missing or too small */                                    \
    X(-6, EAGAIN)     /* links_max links are open; or full at the moment */                        \
    X(-7, ESYS)       /* the system refused: dx_reactor_sys_errno() */                             \
    X(-9, ENOTFOUND)  /* the link is closed, or about to be */                                     \
    X(-10, ECANCELED) /* the links are being drained, or the reactor closed */

typedef enum dx_link_error {
#define DX_LINK_P_ENUM(value, name) DX_LINK_##name = (value),
    DX_LINK_ERRORS(DX_LINK_P_ENUM)
#undef DX_LINK_P_ENUM
} dx_link_error;

/* "DX_LINK_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_LINK_API const char *dx_link_error_name(int error);

/* >>types -------------------------------------------------------------- */
typedef struct dx_link dx_link;
typedef uint64_t dx_link_id; /* names one link, and no later one; 0: none */

typedef struct dx_link_counters { /* totals of all links of a set; the caller zeroes it */
    uint64_t accepted;       /* links, */
    uint64_t connected;      /* connections established, */
    uint64_t closed;         /* those that ended, */
    uint64_t lost;           /* and those that ended without a Close */
    uint64_t frames;         /* dispatched */
    uint64_t results;        /* of our requests, */
    uint64_t deadlines;      /* and those that missed their deadline */
    uint64_t held;           /* times when input was held: for room, a turn or a handler */
    uint64_t full;           /* times when a connection took no more output */
    uint64_t credit_stalls;  /* times when a peer had used up all of a dx_link_window() */
    uint64_t round_trip_ns;  /* the shortest of the window used last; 0: none yet */
} dx_link_counters;

typedef struct dx_link_desc { /* zero = the default given after each field */
    void    *memory;      /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size; /* bytes; at least dx_link_memory_size() */
    uint32_t links_max;   /* at a time, then accepting pauses; 1024 */
    uint32_t out_size;    /* of each session's response buffer; DX_HBTP_OUT_SIZE */
    uint32_t block_count; /* for output, and input that is held; shared by all links, see
                             dx_peers_desc; two for each link */
    uint32_t block_size;  /* bytes of each; 16384 */
    uint32_t high_water;  /* of output under way; above it answers wait; four blocks */
    uint64_t connect_ns;  /* to establish a connection; 10 s, UINT64_MAX: no limit */
    uint64_t hello_ns;    /* for the answer to our Hello, added to that; 60 s, or as above */
    uint64_t linger_ns;   /* from our Close to the end of the connection; 5 s, or as above */
    uint64_t leave_ns;    /* for the end of a link that a dialer has left, because its peer drains
                             it; then it is lost, -ETIMEDOUT; 60 s, or as above */
    uint64_t idle_ns;     /* a link without traffic for this time, up to three eighths late, is
                             lost: -ETIMEDOUT; never. Unlike session.keepalive_ns it tolerates a
                             peer that takes our output slowly */
    dx_hbtp_session_desc session; /* of every link. memory, memory_size, out, on_output and now_ns
                                     are the layer's; payload_max: block_size - 12, with in_place
                                     at most that: a partial frame then waits in a shared block, not
                                     in a buffer of the session, so peers that send slowly can use
                                     up blocks; keepalive_ns: 30 s, UINT64_MAX: never; user: the
                                     initial value for each link */
    const dx_hbtp_hello *hello; /* the first frame of outgoing links; borrowed. NULL: none, they use
                                   version 1. Accepted links answer by the route for
                                   DX_HBTP_OP_HELLO; with hello->needs they require a Hello */
    dx_link_counters *counters; /* borrowed, in addition to `sent` and `received`; NULL: none */
    void    *user;        /* the caller's */

    /* Callbacks. Each may be NULL, and may call everything below. */

    /* A connection was accepted or established. session->desc.user is the caller's to set. */
    void   (*opened)(dx_link *l, dx_link_id id);
    /* There is room for output: a buffer that was at least half full was drained, so dx_hbtp_send()
       and others that had no room may be called again. Also called when dx_link_reserve() may be
       retried after EAGAIN, and after dx_link_call_writable(). */
    void   (*writable)(dx_link *l, dx_link_id id);
    /* begun: a frame, or the next one, has begun to arrive and is incomplete; else it is complete
       now. Use it to tell a peer that sends partial frames from one that sends requests. */
    void   (*partial)(dx_link *l, dx_link_id id, bool begun);
    /* Asked during a drain: is something under way on this link that requests and streams do not
       show, such as a transfer after an answer? Then it stays open; call dx_link_wake() once that
       ends. NULL: never. */
    bool   (*busy)(dx_link *l, dx_link_id id);
    /* Asked during a drain: will the peer send more requests on this link to finish its work? Then
       the drain skips it: the peer is not told, its requests are answered, and the link stays open
       until this returns false, at the latest until timeout_ns have passed. NULL: never. */
    bool   (*unfinished)(dx_link *l, dx_link_id id);
    /* Once for each link. 0: after a Close by either side; -errno: it was lost. */
    void   (*closed)(dx_link *l, dx_link_id id, int32_t reason);
    /* How dialers connect, where bytes do not go straight to a socket of *address: the program
       makes a pair of sockets, carries what comes out of one on over TLS for example, and gives the
       other one to dx_link_prepare(). Returns the error of that; EAGAIN is retried. NULL:
       dx_link_connect(). */
    int    (*connect)(dx_link *l, const dx_reactor_address *address, dx_link_id *id);
} dx_link_desc;

typedef struct dx_link_dialer { /* caller-allocated, not to be moved; some fields may be read */
    dx_link_id  id;       /* the link for new requests; 0: not connected */
    uint32_t    failures; /* attempts in a row that failed, or links that ended early */
    int32_t     reason;   /* why the last link ended, as for closed */

    dx_link    *all_;
    struct dx_link_dialer *next_; /* of the list of a set */
    dx_reactor_address address_;
    uint64_t    due_ns_;   /* when it connects again; UINT64_MAX: it has a link */
    uint64_t    began_ns_; /* when the attempt began */
    uint64_t    random_;
} dx_link_dialer;

struct dx_link { /* caller-allocated, not to be moved; the first fields may be read */
    dx_reactor  *reactor;
    dx_link_desc desc;       /* with its defaults filled in */
    uint32_t     count;      /* links that are open */
    uint64_t     sent;       /* bytes passed to their connections, */
    uint64_t     received;   /* and taken from them */

    dx_peers     peers_;     /* their connections */
    dx_reactor_extension extension_; /* services dirty links before the reactor waits */
    uint8_t     *slots_;     /* stride_ bytes each: a dx_link_p_slot, then the session's memory, */
    size_t       stride_;    /* then its response buffer */
    size_t       session_size_;
    uint32_t    *heap_;      /* slots by due_ns: see the picture in >>due */
    uint32_t     heap_count_;
    uint32_t     slots_used_; /* slots ever used; the memory after them is untouched */
    uint32_t     free_;      /* a list of slots used before; 1 is the first slot, 0: none */
    uint32_t     dirty_;     /* a list of slots with new output */
    dx_op        timer_op_;  /* for the first of the heap */
    uint64_t     drain_ns_;  /* when a drain closes the remaining links; 0: no drain */
    dx_link_dialer *dialers_;
    uint64_t     dial_ns_;   /* when the first dialer connects again */
    dx_hbtp_event_fn *on_event_; /* the caller's */
    dx_hbtp_result_fn *on_result_; /* the caller's, with counters */
};

/* >>api ---------------------------------------------------------------- */
/* Required size of desc.memory in bytes; 0: a field is out of its range. */
DX_LINK_API size_t dx_link_memory_size(const dx_link_desc *desc);
/* *l is used until dx_reactor_close(), which closes its links. EINVAL, ENOMEM. */
DX_LINK_API int dx_link_open(dx_link *l, dx_reactor *r, const dx_link_desc *desc);
/* Accept on fd, which stays the caller's. Once for each *l. EINVAL. May be retried: EAGAIN, the
   reactor has no operation left; ECANCELED, it is being closed. */
DX_LINK_API int dx_link_listen(dx_link *l, int fd);
/* Stop accepting. Open links stay open. */
DX_LINK_API void dx_link_listen_end(dx_link *l);
/* False before dx_link_listen(), and once its end has taken effect: until then the system may have
   accepted a connection that is about to be opened. To lose none: end, wait for this, drain. */
DX_LINK_API bool dx_link_is_listening(const dx_link *l);
/* Connect to *address, which is copied. The session can be used at once: its output is sent once
   the connection is established. EINVAL: also a Hello that exceeds out_size; EAGAIN, ECANCELED,
   ESYS: no link was made. */
DX_LINK_API int dx_link_connect(dx_link *l, const dx_reactor_address *address, dx_link_id *id);
/* A link on a connected, non-blocking stream, without a Hello; opened is not called. Errors as
   dx_link_connect(); after an error fd stays the caller's. */
DX_LINK_API int dx_link_add(dx_link *l, int fd, dx_link_id *id);
/* For desc.connect: a link on a stream whose other end is not connected to the peer yet. As
   dx_link_connect(), with its Hello and its timeouts; fd is as in dx_link_add(). */
DX_LINK_API int dx_link_prepare(dx_link *l, int fd, dx_link_id *id);
/* It is connected now: opened is called before this returns. reason -errno: that has failed, and
   closed gets the reason. ENOTFOUND; EINVAL: the link was not prepared, or is ready. */
DX_LINK_API int dx_link_ready(dx_link *l, dx_link_id id, int32_t reason);

/* Keep a link to *address from now on: connect, and reconnect when it is lost or the peer drains
   it. Retries back off: 100 ms, 200 ms ... 5 s, each shortened at random by up to a half; a link
   that lived for 5 s resets the delay. `opened` reports each new link, d->id names it; requests on
   the previous one have ended, or end on the link that is drained. seed: a number that no other
   client uses, so that clients do not reconnect all at once. *d is borrowed until
   dx_link_dial_end() or dx_reactor_close(). EINVAL: also as dx_link_connect(), or *d is in use;
   ECANCELED: the links are being drained. */
DX_LINK_API int dx_link_dial(dx_link *l, dx_link_dialer *d, const dx_reactor_address *address,
                             uint64_t seed);
/* Stop dialing: *d is the caller's again, its link stays open. Also inside callbacks. No effect if
   *d has ended already, or is all zero. */
DX_LINK_API void dx_link_dial_end(dx_link_dialer *d);

/* The session of a link, until closed has returned; then NULL. */
DX_LINK_API dx_hbtp_session *dx_link_session(const dx_link *l, dx_link_id id);
/* The link of a session, for example in a handler. */
DX_LINK_API dx_link   *dx_link_of(const dx_hbtp_session *session);
DX_LINK_API dx_link_id dx_link_id_of(const dx_hbtp_session *session);
/* Its descriptor, for system calls; -1: closed. */
DX_LINK_API int dx_link_fd(const dx_link *l, dx_link_id id);

/* Service the link before the reactor waits next: after a direct write to the session's buffer, or
   when a handler that returned EAGAIN may be called again. Without it such a handler is called
   again after 10 ms, 20 ms ... 320 ms. ENOTFOUND. */
DX_LINK_API int dx_link_wake(dx_link *l, dx_link_id id);

/* Zero-copy output of large frames, such as FileChunk, without a large buffer for each session:
   *out becomes a response buffer of `size` bytes, at most block_size, in a block of the connection.
   Write only frames of the program into it, no answers; if the payload exceeds the peer's limit the
   writer fails with DX_HBTP_ETOOBIG. Call dx_link_commit() before any other function. EAGAIN: the
   connection is full, or other links have all blocks except the eighth reserved for answers;
   writable will be called. ENOTFOUND; EINVAL: size. */
DX_LINK_API int dx_link_reserve(dx_link *l, dx_link_id id, uint32_t size, dx_hbtp_out *out);
/* Send the frames in *out, after all earlier output of the session. ENOTFOUND. */
DX_LINK_API int dx_link_commit(dx_link *l, dx_link_id id, const dx_hbtp_out *out);
/* Have `writable` called before the reactor waits next, so that a handler can start a transfer
   there after the answer that it has just written. ENOTFOUND. */
DX_LINK_API int dx_link_call_writable(dx_link *l, dx_link_id id);

/* A receive window for a stream, which grows as described in dx_window.h, instead of calls of
   dx_hbtp_grant(): in on_stream for OPENED, or after dx_hbtp_open(). *w is the caller's, one for
   each stream. promised: bytes that the peer may send already, the credit granted by our Hello or
   by dx_hbtp_open(). limit: max bytes that the program buffers; dx_hbtp_credit_max() is an upper
   bound, too. EINVAL: as dx_window_init(). As dx_hbtp_grant(). */
DX_LINK_API int dx_link_window(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                               uint32_t promised, uint32_t limit);
/* A chunk of that many bytes has arrived: in on_stream, before dx_link_consumed(). Returns 0, or
   DX_HBTP_ETOOBIG for on_stream to return: more than was promised. */
DX_LINK_API int dx_link_arrived(const dx_hbtp_session *session, dx_window *w, size_t bytes);
/* The program has freed that many bytes; at any time. As dx_hbtp_grant(). */
DX_LINK_API int dx_link_consumed(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                                 uint32_t bytes);

/* Send a Close after queued output, then end: `closed` is called later. A peer that does not read
   it is cut off after linger_ns. ENOTFOUND. */
DX_LINK_API int dx_link_close(dx_link *l, dx_link_id id, uint16_t status, const char *text);
/* End now: pending requests and streams end inside this call, no handler is called afterwards;
   `closed` is called later, with -ECANCELED. ENOTFOUND. */
DX_LINK_API int dx_link_abort(dx_link *l, dx_link_id id);
/* Stop accepting and connecting. Tell peers that support it, answer new requests with 503, and
   close each link once it has no pending request of either side and no open stream, and is neither
   `busy` nor `unfinished`. After timeout_ns close the remaining links (503). Done when count is 0,
   at the latest linger_ns after that. Calling it again sets a new time. */
DX_LINK_API void dx_link_drain(dx_link *l, uint64_t timeout_ns);

#ifdef __cplusplus
}
#endif
#endif /* DX_LINK_H */

#if (defined(DX_LINK_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_LINK_IMPLEMENTED)
#define DX_LINK_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#include <errno.h>

#ifndef DX_LINK_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_LINK_ASSERT(c) assert(c)
  #else
    #define DX_LINK_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#ifndef DX_LINK_MEMSET
  #define DX_LINK_MEMSET __builtin_memset
#endif

/* Defaults. */
enum {
    DX_LINK_P_LINKS       = 1024,
    DX_LINK_P_BLOCKS      = 2,   /* for each link */
    DX_LINK_P_BLOCK_SIZE  = 16384,
    DX_LINK_P_CONNECT_S   = 10,
    DX_LINK_P_HELLO_S     = 60,  /* a server that reads a large store is silent for a while */
    DX_LINK_P_LINGER_S    = 5,
    DX_LINK_P_LEAVE_S     = 60,
    DX_LINK_P_KEEPALIVE_S = 30,
    DX_LINK_P_FRAME_EXTRA = DX_HBTP_HEADER_SIZE + DX_HBTP_CHECKSUM_SIZE, /* overhead of a frame */
    DX_LINK_P_RETRY_NS    = 10000000, /* delay before a retry after EAGAIN, */
    DX_LINK_P_RETRIES     = 5,   /* which doubles that many times while retries fail */
    DX_LINK_P_KEPT        = 8,   /* one block in that many is reserved for answers */
    DX_LINK_P_DIAL_MIN    = 100000000, /* ns between attempts to connect, doubling ... */
    DX_LINK_P_DOUBLINGS   = 6,        /* ... that many times, up to DIAL_S */
    DX_LINK_P_DIAL_S      = 5,
    DX_LINK_P_ALIGN       = 16
};
#define DX_LINK_P_SECOND ((uint64_t)1000000000) /* ns */

/* >>links --------------------------------------------------------------
   The memory of a set: slots, the heap of their deadlines, and that of dx_peers.h. The user word of
   a connection holds its slot number, and the slot holds the connection's handle, so each is found
   from the other by one load; the session is the slot's first field:

       handle --> dx_peers_data() --> slot number --> | session | out | ... | requests | buffer |
         ^                                              |   ^
         '------------------- slot.id <-----------------'   '--- dx_link_id_of(session)

   The states of a link, in flags:

       CONNECTING --> (open) --+--> the session is closed, by a Close or an error of the peer, or by
             |                 |    dx_link_close(): ENDING, until all output was sent
             |                 |                        |
             |                 |                        v
             '-----------------+--> lost ----------> LEAVING: the connection closes --> free */
enum { /* dx_link_p_slot.flags */
    DX_LINK_P_IS_CONNECTING = 1,
    DX_LINK_P_IS_HELD       = 2,  /* input waits: for room, for a turn, or for a handler */
    DX_LINK_P_IS_FULL       = 4,  /* the connection takes no output for now */
    DX_LINK_P_IS_ENDING     = 8,  /* the session is closed; output may be left */
    DX_LINK_P_IS_LEAVING    = 16, /* dx_peers_close() was called, its closed callback follows */
    DX_LINK_P_IS_DIRTY      = 32, /* in the list of links to service before the reactor waits */
    DX_LINK_P_IS_LOST       = 64, /* without a Close: see reason */
    DX_LINK_P_IS_WOKEN      = 128, /* there may be room again: dispatch held input */
    DX_LINK_P_IS_TAKEN      = 256, /* there is room for output again: tell the program */
    DX_LINK_P_IS_SHORT      = 512  /* other links had the blocks: tell it after a retry */
};

typedef struct dx_link_p_slot {
    dx_hbtp_session    session; /* first: a session is its slot */
    dx_hbtp_out        out;
    dx_link           *all;
    dx_link_id         id;      /* of the connection, and of the link */
    dx_link_dialer    *dialer;  /* the dialer that owns the link; NULL: none */
    dx_reactor_address address; /* lent while it connects */
    uint64_t           due_ns;  /* when to service it next; UINT64_MAX: not in the heap */
    uint64_t           begun_ns; /* when a partial frame began, as told to `partial`; 0: none */
    uint64_t           until_ns; /* when it is cut off: CONNECTING, ENDING, or left by its dialer;
                                    UINT64_MAX: never */
    uint32_t           heap_at; /* its place in the heap */
    uint32_t           next;    /* of the list of free or dirty slots, counted from 1 */
    int32_t            reason;  /* for closed */
    uint32_t           retries; /* in vain, at most DX_LINK_P_RETRIES */
    uint32_t           flags;   /* DX_LINK_P_IS_ */
} dx_link_p_slot;

/* Size of a slot; the session's memory follows it, aligned to 8 on 32-bit machines, too. */
#define DX_LINK_P_SLOT_SIZE ((sizeof(dx_link_p_slot) + 7) / 8 * 8)

/* The slot with a number, from 0. */
static dx_link_p_slot *dx_link_p_slot_at(const dx_link *l, uint32_t number)
{
    DX_LINK_ASSERT(number < l->desc.links_max);
    return (dx_link_p_slot *)(void *)(l->slots_ + (size_t)number * l->stride_);
}

/* The inverse. */
static uint32_t dx_link_p_number(const dx_link_p_slot *slot)
{
    const size_t at = (size_t)((const uint8_t *)slot - slot->all->slots_);
    DX_LINK_ASSERT(at % slot->all->stride_ == 0);
    return (uint32_t)(at / slot->all->stride_);
}

/* The slot of a link; NULL: closed. */
static dx_link_p_slot *dx_link_p_find(const dx_link *l, dx_link_id id)
{
    const uint64_t *number = l ? dx_peers_data(&l->peers_, id) : NULL;
    if (!number || !*number) return NULL;
    return dx_link_p_slot_at(l, (uint32_t)(*number - 1));
}

/* An open link; NULL: closed, or about to be. */
static dx_link_p_slot *dx_link_p_find_open(const dx_link *l, dx_link_id id)
{
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    if (!slot || slot->session.state == DX_HBTP_CLOSED) return NULL;
    return slot->flags & (DX_LINK_P_IS_ENDING | DX_LINK_P_IS_LEAVING) ? NULL : slot;
}

/* Have a link serviced before the reactor waits. */
static void dx_link_p_soon(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    if (slot->flags & DX_LINK_P_IS_DIRTY) return;
    slot->flags |= DX_LINK_P_IS_DIRTY;
    slot->next = l->dirty_;
    l->dirty_ = dx_link_p_number(slot) + 1;
    dx_reactor_ext_flush_later(l->reactor, &l->extension_);
}

/* The session has new output that feed did not produce. */
static void dx_link_p_on_output(dx_hbtp_session *s)
{
    dx_link_p_slot *slot = (dx_link_p_slot *)(void *)s; /* its first field */
    DX_LINK_ASSERT(slot->all);
    dx_link_p_soon(slot);
}

/* The session's clock. */
static uint64_t dx_link_p_now(const dx_hbtp_session *s)
{
    return dx_reactor_now_ns(((const dx_link_p_slot *)(const void *)s)->all->reactor);
}

/* The time after a delay; UINT64_MAX: never. */
static uint64_t dx_link_p_from_now(const dx_link *l, uint64_t ns)
{
    const uint64_t now = dx_reactor_now_ns(l->reactor);
    DX_LINK_ASSERT(l->reactor);
    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

/* A new session in the memory of its slot. */
static int dx_link_p_begin_session(dx_link_p_slot *slot)
{
    const dx_link *l = slot->all;
    dx_hbtp_session_desc desc = l->desc.session;
    uint8_t *memory = (uint8_t *)slot + DX_LINK_P_SLOT_SIZE;
    int error = dx_hbtp_out_init(&slot->out, memory + l->session_size_, l->desc.out_size);
    DX_LINK_ASSERT(l->session_size_);
    desc.memory = memory;
    desc.memory_size = l->session_size_;
    desc.out = &slot->out;
    return error ? error : dx_hbtp_session_init(&slot->session, &desc);
}

/* A slot with a new session; NULL: all are in use. */
static dx_link_p_slot *dx_link_p_new(dx_link *l)
{
    dx_link_p_slot *slot;
    int error;
    if (l->count == l->desc.links_max) return NULL;
    if (l->free_) {
        slot = dx_link_p_slot_at(l, l->free_ - 1);
        l->free_ = slot->next;
    } else {
        slot = dx_link_p_slot_at(l, l->slots_used_++);
    }
    DX_LINK_MEMSET(slot, 0, sizeof *slot);
    slot->all = l;
    slot->due_ns = UINT64_MAX;
    slot->until_ns = UINT64_MAX;
    error = dx_link_p_begin_session(slot);
    DX_LINK_ASSERT(!error); /* dx_link_open() has tested it */
    (void)error;
    l->count++;
    return slot;
}

/* Free a slot. */
static void dx_link_p_free(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    const uint32_t number = dx_link_p_number(slot) + 1;
    uint32_t *link = &l->dirty_; /* the link to it in the list of dirty slots */
    DX_LINK_ASSERT(slot->due_ns == UINT64_MAX && l->count > 0);
    if (slot->flags & DX_LINK_P_IS_DIRTY) {
        while (*link != number) link = &dx_link_p_slot_at(l, *link - 1)->next;
        *link = slot->next;
    }
    slot->id = 0;
    slot->flags = 0;
    slot->next = l->free_;
    l->free_ = number;
    l->count--;
}

/* >>due ----------------------------------------------------------------
   When each link must be serviced next: a request expires, a peer is silent for too long, a handler
   is to be called again. A binary heap of slot numbers, the earliest first, with one timer of the
   reactor for it:

       heap_   [0]        parent of i: (i - 1) / 2
              /   \
           [1]     [2]    each is due no earlier than its parent
           / \     / \

   A deadline that moves later, as the keepalive does with each received frame, keeps its place: the
   link is serviced too early once, and then sets its next time. */

/* Swap two places. */
static void dx_link_p_heap_swap(dx_link *l, uint32_t a, uint32_t b)
{
    const uint32_t number = l->heap_[a];
    DX_LINK_ASSERT(a < l->heap_count_ && b < l->heap_count_);
    l->heap_[a] = l->heap_[b];
    l->heap_[b] = number;
    dx_link_p_slot_at(l, l->heap_[a])->heap_at = a;
    dx_link_p_slot_at(l, l->heap_[b])->heap_at = b;
}

static uint64_t dx_link_p_heap_due(const dx_link *l, uint32_t at)
{
    DX_LINK_ASSERT(at < l->heap_count_);
    return dx_link_p_slot_at(l, l->heap_[at])->due_ns;
}

/* Sift an entry up or down. */
static void dx_link_p_heap_settle(dx_link *l, uint32_t at)
{
    DX_LINK_ASSERT(l->slots_used_ >= l->heap_count_);
    while (at && dx_link_p_heap_due(l, at) < dx_link_p_heap_due(l, (at - 1) / 2)) {
        dx_link_p_heap_swap(l, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= l->heap_count_) break;
        if (child + 1 < l->heap_count_ &&
            dx_link_p_heap_due(l, child + 1) < dx_link_p_heap_due(l, child))
            child++;
        if (dx_link_p_heap_due(l, at) <= dx_link_p_heap_due(l, child)) break;
        dx_link_p_heap_swap(l, at, child);
        at = child;
    }
}

/* Set the timer to the earliest deadline; without one it expires unused. */
static void dx_link_p_arm(dx_link *l)
{
    uint64_t when = l->heap_count_ ? dx_link_p_heap_due(l, 0) : UINT64_MAX;
    if (l->drain_ns_ && l->count && l->drain_ns_ < when) when = l->drain_ns_;
    if (l->dial_ns_ < when) when = l->dial_ns_;
    if (when == UINT64_MAX) dx_reactor_cancel(l->reactor, &l->timer_op_);
    else if (dx_reactor_op_pending(&l->timer_op_))
        (void)dx_reactor_timer_move(l->reactor, &l->timer_op_, when);
    else (void)dx_reactor_timer_at(l->reactor, &l->timer_op_, when);
}

/* Set when to service a link; UINT64_MAX: never. */
static void dx_link_p_set_due(dx_link_p_slot *slot, uint64_t due_ns)
{
    dx_link *l = slot->all;
    const bool was_in = slot->due_ns != UINT64_MAX;
    const uint64_t first = l->heap_count_ ? dx_link_p_heap_due(l, 0) : UINT64_MAX;
    uint32_t at = slot->heap_at;
    if (slot->due_ns == due_ns) return;
    if (!was_in) {
        at = l->heap_count_++;
        DX_LINK_ASSERT(at < l->desc.links_max);
        l->heap_[at] = dx_link_p_number(slot);
        slot->heap_at = at;
    }
    slot->due_ns = due_ns;
    if (due_ns == UINT64_MAX) {
        dx_link_p_heap_swap(l, at, l->heap_count_ - 1);
        l->heap_count_--;
    }
    if (at < l->heap_count_) dx_link_p_heap_settle(l, at);
    if (!l->heap_count_ || dx_link_p_heap_due(l, 0) != first) dx_link_p_arm(l);
}

/* >>output -------------------------------------------------------------
   A session writes into its response buffer. From there all output moves into blocks of the
   connection, while it accepts some, which frees room for the session:

       session --> | out | --> blocks under way --> the peer
                  out_size      high_water: above it the connection is FULL, out fills up, and
                                requests wait in the input until it is drained */

/* The connection is full; its drained callback follows. */
static void dx_link_p_fill(dx_link_p_slot *slot)
{
    dx_link_counters *counters = slot->all->desc.counters;
    DX_LINK_ASSERT(slot->id);
    slot->flags |= DX_LINK_P_IS_FULL;
    if (counters) counters->full++;
}

/* Delay of a retry that no event triggers: other links' blocks, a handler that returned EAGAIN. */
static uint64_t dx_link_p_retry_ns(dx_link_p_slot *slot)
{
    const uint64_t ns = (uint64_t)DX_LINK_P_RETRY_NS << slot->retries;
    DX_LINK_ASSERT(slot->retries <= DX_LINK_P_RETRIES);
    if (slot->retries < DX_LINK_P_RETRIES) slot->retries++;
    return ns;
}

/* No event of this link tells when other links free blocks: retry after a while. */
static void dx_link_p_retry(dx_link_p_slot *slot)
{
    uint64_t when;
    DX_LINK_ASSERT(!(slot->flags & DX_LINK_P_IS_LEAVING));
    if (slot->flags & DX_LINK_P_IS_CONNECTING) { /* it is serviced once connected */
        slot->flags |= DX_LINK_P_IS_TAKEN;
        return;
    }
    if (slot->flags & DX_LINK_P_IS_SHORT) return; /* the retry is set */
    slot->flags |= DX_LINK_P_IS_SHORT;
    when = dx_reactor_now_ns(slot->all->reactor) + dx_link_p_retry_ns(slot);
    if (when < slot->due_ns) dx_link_p_set_due(slot, when);
}

/* Blocks that only answers may take, in bytes. */
static uint64_t dx_link_p_kept(const dx_link *l)
{
    return (uint64_t)(l->desc.block_count / DX_LINK_P_KEPT) * l->desc.block_size;
}

/* How many of `size` bytes of output to move now: what fits into a block like an answer, of more at
   most half of the free blocks, so that many links with large output each get some. 0: none are
   free. dx_peers.h closes a peer that has no block and finds none. */
static size_t dx_link_p_share(const dx_link *l, size_t size)
{
    const uint64_t room = dx_peers_room(&l->peers_);
    const uint64_t kept = dx_link_p_kept(l);
    uint64_t most = room;
    if (size > l->desc.block_size) {
        most = room > kept ? room - kept : 0;
        if (most / 2 >= l->desc.block_size) most /= 2;
        return size < most ? size : (size_t)most;
    }
    return size <= most ? size : 0;
}

/* Move output to the connection. True: the session has more room now. */
static bool dx_link_p_pump(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    bool moved = false;
    int error = DX_PEERS_OK;
    DX_LINK_ASSERT(slot->id && l->count > 0);
    while (!(slot->flags & (DX_LINK_P_IS_FULL | DX_LINK_P_IS_LEAVING))) {
        size_t size, share;
        const uint8_t *bytes = dx_hbtp_out_data(&slot->out, &size);
        if (!size) break;
        share = dx_link_p_share(l, size);
        if (!share) {
            dx_link_p_retry(slot);
            break;
        }
        if (size >= l->desc.out_size / 2) slot->flags |= DX_LINK_P_IS_TAKEN;
        error = dx_peers_send(&l->peers_, slot->id, bytes, (uint32_t)share);
        if (error == DX_PEERS_EAGAIN) {
            dx_link_p_fill(slot);
        } else {
            (void)dx_hbtp_out_consume(&slot->out, share);
            if (!error) l->sent += share;
            if (!(slot->flags & DX_LINK_P_IS_HELD)) slot->retries = 0;
            moved = true;
            if (error) slot->flags |= DX_LINK_P_IS_LEAVING; /* `closed` will be called */
        }
    }
    return moved;
}

/* The session is closed: end the connection once all its output was taken. The peer has linger_ns
   for both. */
static void dx_link_p_leave(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    size_t left;
    DX_LINK_ASSERT(slot->session.state == DX_HBTP_CLOSED);
    if (slot->flags & DX_LINK_P_IS_LEAVING) return;
    if (!(slot->flags & DX_LINK_P_IS_ENDING)) {
        slot->flags |= DX_LINK_P_IS_ENDING;
        slot->until_ns = dx_link_p_from_now(l, l->desc.linger_ns);
        /* Drop further input: two peers that are held and wait for each other would stay open. */
        slot->flags &= ~(uint32_t)DX_LINK_P_IS_HELD;
        (void)dx_peers_hold(&l->peers_, slot->id, false);
    }
    if (!(slot->flags & DX_LINK_P_IS_SHORT)) dx_link_p_set_due(slot, slot->until_ns);
    (void)dx_hbtp_out_data(&slot->out, &left);
    if (left) return;
    slot->flags |= DX_LINK_P_IS_LEAVING;
    (void)dx_peers_close(&l->peers_, slot->id, false);
}

/* End the connection now. */
static void dx_link_p_cut(dx_link_p_slot *slot, int32_t reason)
{
    DX_LINK_ASSERT(reason < 0);
    if (!(slot->flags & DX_LINK_P_IS_LOST)) slot->reason = reason;
    slot->flags |= DX_LINK_P_IS_LOST | DX_LINK_P_IS_LEAVING | DX_LINK_P_IS_ENDING;
    (void)dx_peers_close(&slot->all->peers_, slot->id, true);
    dx_hbtp_abort(&slot->session); /* dispatches nothing from now on */
}

/* >>input --------------------------------------------------------------
   The session consumes input in place, in the connection's memory. The connection keeps the rest
   and passes it again: a partial frame with the bytes that follow; a request that finds no room, or
   exceeds the link's turn, after a hold:

       WANTS_INPUT    a partial frame: continue to receive
       WANTS_OUTPUT   hold, until output was sent
       WANTS_TURN     hold, until other links had their turn; after EAGAIN until dx_link_wake() */

/* Stop input until it is released. */
static void dx_link_p_hold(dx_link_p_slot *slot)
{
    DX_LINK_ASSERT(!(slot->flags & DX_LINK_P_IS_LEAVING));
    slot->flags |= DX_LINK_P_IS_HELD;
    if (slot->all->desc.counters) slot->all->desc.counters->held++;
    (void)dx_peers_hold(&slot->all->peers_, slot->id, true);
}

/* Tell the program that a frame is partial, or complete. */
static void dx_link_p_watch(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    uint64_t begun_ns = 0;
    const bool begun = dx_hbtp_has_begun(&slot->session, &begun_ns);
    if (begun && !begun_ns) begun_ns = 1; /* the clock may begin at 0 */
    if (begun_ns == slot->begun_ns) return;
    DX_LINK_ASSERT(slot->id);
    slot->begun_ns = begun_ns;
    if (l->desc.partial) l->desc.partial(l, slot->id, begun);
}

/* Dispatch as many bytes as possible. Returns how many were consumed. */
static size_t dx_link_p_feed(dx_link_p_slot *slot, const uint8_t *bytes, size_t size)
{
    dx_hbtp_session *s = &slot->session;
    const uint64_t now = dx_reactor_now_ns(slot->all->reactor);
    const uint64_t before = s->counters.frames;
    size_t used = 0;
    uint64_t frames; /* the session's count before the last feed */
    bool moved;
    DX_LINK_ASSERT(bytes || !size);
    for (;;) {
        int64_t n;
        frames = s->counters.frames;
        n = dx_hbtp_feed(s, bytes ? bytes + used : NULL, size - used, now);
        if (n > 0) used += (size_t)n;
        moved = dx_link_p_pump(slot);
        if (s->state != DX_HBTP_WANTS_OUTPUT || !moved || (slot->flags & DX_LINK_P_IS_LEAVING))
            break;
    }
    if (slot->all->desc.counters) slot->all->desc.counters->frames += s->counters.frames - before;
    if (s->state == DX_HBTP_CLOSED || (slot->flags & DX_LINK_P_IS_LEAVING)) return size;
    dx_link_p_watch(slot);
    if (slot->flags & DX_LINK_P_IS_LEAVING) return size; /* the program has closed it */
    if (s->state == DX_HBTP_WANTS_TURN) { /* its share was used up, or a handler waits */
        const bool share = s->counters.frames - frames >= s->desc.frames_max;
        if (s->counters.frames != before) slot->retries = 0;
        dx_link_p_hold(slot);
        dx_link_p_set_due(slot, now + (share ? 0 : dx_link_p_retry_ns(slot)));
    } else if (s->state == DX_HBTP_WANTS_OUTPUT) {
        dx_link_p_hold(slot);
    }
    DX_LINK_ASSERT(used <= size);
    return used;
}

/* >>service ------------------------------------------------------------
   A link does everything except input in one place, at most once between two waits of the reactor,
   when it has output, an event or is due:

       dirty, due --> send --> tick --> send --> closed: leave;  draining: tell the peer, unless it
                                                 was told; once it knows and is idle, Close;
                                                 else: tell the program that there is room, and set
                                                 the next time */
/* Has everything ended that a drain waits for? Tells the peer of the drain, unless it was told. */
static bool dx_link_p_is_drained(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    if (slot->flags & DX_LINK_P_IS_CONNECTING) return false;
    if (l->desc.unfinished && l->desc.unfinished(l, slot->id)) return false;
    if (dx_hbtp_drain(&slot->session, DX_HBTP_STATUS_UNAVAILABLE, NULL)) return false;
    return dx_hbtp_is_idle(&slot->session) && !(l->desc.busy && l->desc.busy(l, slot->id));
}

/* Advance the session's clock, send its output, and set the next time. */
static void dx_link_p_service(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    dx_hbtp_session *s = &slot->session;
    const uint64_t now = dx_reactor_now_ns(l->reactor);
    uint64_t next;
    DX_LINK_ASSERT(slot->id);
    if (slot->flags & DX_LINK_P_IS_LEAVING) return;
    (void)dx_link_p_pump(slot);
    next = dx_hbtp_tick(s, now);
    (void)dx_link_p_pump(slot);
    if (s->state == DX_HBTP_CLOSED) {
        dx_link_p_leave(slot);
        return;
    }
    if (l->drain_ns_ && dx_link_p_is_drained(slot)) {
        (void)dx_link_close(l, slot->id, DX_HBTP_STATUS_NONE, NULL);
        return;
    }
    if (slot->until_ns < next) next = slot->until_ns;
    if (next < slot->due_ns) dx_link_p_set_due(slot, next); /* later times are set then */
    if (slot->flags & DX_LINK_P_IS_TAKEN) {
        slot->flags &= ~(uint32_t)DX_LINK_P_IS_TAKEN;
        if (l->desc.writable) l->desc.writable(l, slot->id);
    }
}

/* Dispatch held input again: first a frame that the session has buffered itself, then the input
   that the connection has kept. */
static void dx_link_p_release(dx_link_p_slot *slot)
{
    if (!(slot->flags & DX_LINK_P_IS_HELD) || (slot->flags & DX_LINK_P_IS_LEAVING)) return;
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_HELD;
    (void)dx_link_p_feed(slot, NULL, 0);
    if (slot->flags & DX_LINK_P_IS_HELD) return;
    (void)dx_peers_hold(&slot->all->peers_, slot->id, false); /* calls received */
}

/* The link's deadline has passed. */
static void dx_link_p_expire(dx_link_p_slot *slot)
{
    DX_LINK_ASSERT(slot->due_ns != UINT64_MAX);
    dx_link_p_set_due(slot, UINT64_MAX);
    if (slot->flags & DX_LINK_P_IS_SHORT) slot->flags |= DX_LINK_P_IS_TAKEN;
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_SHORT;
    if (dx_reactor_now_ns(slot->all->reactor) >= slot->until_ns) {
        dx_link_p_cut(slot, -ETIMEDOUT); /* the peer is gone, or does not read our Close */
    } else {
        dx_link_p_release(slot);
        dx_link_p_service(slot);
    }
}

/* >>dialers ------------------------------------------------------------
   A dialer has a link, or a time of the next attempt:

       connect --> link --- lost, or the peer drains it --> put off --> connect
          '--------------------- no link ------------------^

   A dialer leaves a link that its peer drains at once: the link ends by itself, and the dialer gets
   a new one. There are few dialers, so they are a list, and dial_ns_ is the earliest time in it. */

/* Find the earliest time. */
static void dx_link_p_dial_due(dx_link *l)
{
    const dx_link_dialer *d;
    DX_LINK_ASSERT(l->reactor);
    l->dial_ns_ = UINT64_MAX;
    for (d = l->drain_ns_ ? NULL : l->dialers_; d; d = d->next_)
        if (d->due_ns_ < l->dial_ns_) l->dial_ns_ = d->due_ns_;
    dx_link_p_arm(l);
}

/* Schedule the next attempt, with exponential back-off. */
static void dx_link_p_put_off(dx_link_dialer *d)
{
    const uint64_t most = DX_LINK_P_DIAL_S * DX_LINK_P_SECOND;
    const uint32_t doublings =
        d->failures < DX_LINK_P_DOUBLINGS ? d->failures : (uint32_t)DX_LINK_P_DOUBLINGS;
    uint64_t delay = (uint64_t)DX_LINK_P_DIAL_MIN << doublings;
    if (delay > most) delay = most;
    d->random_ ^= d->random_ >> 12; /* xorshift64* (Vigna 2016) */
    d->random_ ^= d->random_ << 25;
    d->random_ ^= d->random_ >> 27;
    delay -= (d->random_ * 0x2545f4914f6cdd1du >> 32) * (delay / 2) >> 32;
    DX_LINK_ASSERT(delay >= DX_LINK_P_DIAL_MIN / 2 && delay <= most);
    d->id = 0;
    d->due_ns_ = dx_reactor_now_ns(d->all_->reactor) + delay;
    dx_link_p_dial_due(d->all_);
}

/* Connect. As dx_link_connect(). */
static int dx_link_p_dial(dx_link_dialer *d)
{
    int error;
    DX_LINK_ASSERT(!d->id);
    d->due_ns_ = UINT64_MAX;
    d->began_ns_ = dx_reactor_now_ns(d->all_->reactor);
    error = d->all_->desc.connect ? d->all_->desc.connect(d->all_, &d->address_, &d->id)
                                  : dx_link_connect(d->all_, &d->address_, &d->id);
    if (error) {
        d->failures++;
        dx_link_p_put_off(d);
    } else {
        dx_link_p_find(d->all_, d->id)->dialer = d;
    }
    return error;
}

/* Connect all dialers that are due. */
static void dx_link_p_dial_all(dx_link *l, uint64_t now)
{
    dx_link_dialer *d;
    for (d = l->dialers_; d && !l->drain_ns_; d = d->next_)
        if (d->due_ns_ <= now) (void)dx_link_p_dial(d);
    dx_link_p_dial_due(l);
}

/* The link of a dialer has ended, or will soon. */
static void dx_link_p_undial(dx_link_p_slot *slot, int32_t reason)
{
    dx_link_dialer *d = slot->dialer;
    uint64_t lived;
    if (!d) return;
    DX_LINK_ASSERT(d->id == slot->id);
    slot->dialer = NULL;
    lived = dx_reactor_now_ns(slot->all->reactor) - d->began_ns_;
    d->failures = lived < DX_LINK_P_DIAL_S * DX_LINK_P_SECOND ? d->failures + 1 : 0;
    d->reason = reason;
    dx_link_p_put_off(d);
}

/* >>callbacks ----------------------------------------------------------
   The reactor's timer and flush, and the callbacks of dx_peers.h. */
/* The earliest deadline, or that of a drain, has passed: timer_op_.fn. */
static void dx_link_p_on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_link *l = (dx_link *)dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(r);
    uint32_t turns = l->heap_count_;
    uint32_t number;
    (void)flags;
    if (result < 0) { /* stopped; a new deadline may exist by now */
        if (!dx_reactor_ext_is_closing(r)) dx_link_p_arm(l);
        return;
    }
    if (l->drain_ns_ && now >= l->drain_ns_) {
        l->drain_ns_ = UINT64_MAX;
        for (number = 0; number < l->slots_used_; number++) {
            dx_link_p_slot *slot = dx_link_p_slot_at(l, number);
            if (slot->id) (void)dx_link_close(l, slot->id, DX_HBTP_STATUS_UNAVAILABLE, NULL);
        }
    }
    while (turns && l->heap_count_ && dx_link_p_heap_due(l, 0) <= now) {
        dx_link_p_expire(dx_link_p_slot_at(l, l->heap_[0]));
        turns--;
    }
    if (l->dial_ns_ <= now && !l->drain_ns_) dx_link_p_dial_all(l, now);
    if (!dx_reactor_op_pending(&l->timer_op_)) dx_link_p_arm(l);
}

/* Session events: a dialer leaves a link that its peer drains. */
static void dx_link_p_on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    dx_link_p_slot *slot = (dx_link_p_slot *)(void *)s; /* its first field */
    if (event == DX_HBTP_EVENT_DRAIN && slot->dialer) {
        dx_link_p_undial(slot, 0);
        slot->until_ns = dx_link_p_from_now(slot->all, slot->all->desc.leave_ns);
        dx_link_p_soon(slot); /* service decides when */
    }
    if (slot->all->on_event_) slot->all->on_event_(s, event, frame);
}

/* Count the result of our request. */
static void dx_link_p_on_result(dx_hbtp_session *s, const dx_hbtp_result *result)
{
    dx_link *l = ((dx_link_p_slot *)(void *)s)->all; /* its first field */
    DX_LINK_ASSERT(l->desc.counters && l->on_result_);
    l->desc.counters->results++;
    if (result->error == DX_HBTP_ETIMEDOUT) l->desc.counters->deadlines++;
    l->on_result_(s, result);
}

/* The reactor's call before it waits: dx_reactor_extension.flush. */
static void dx_link_p_flush(dx_reactor *r, dx_reactor_extension *extension)
{
    dx_link *l = (dx_link *)extension->user;
    uint32_t list = l->dirty_;
    bool woken;
    (void)r;
    l->dirty_ = 0; /* slots that become dirty meanwhile are serviced next time */
    while (list) {
        dx_link_p_slot *slot = dx_link_p_slot_at(l, list - 1);
        list = slot->next;
        DX_LINK_ASSERT(slot->flags & DX_LINK_P_IS_DIRTY);
        woken = (slot->flags & DX_LINK_P_IS_WOKEN) != 0;
        slot->flags &= ~(uint32_t)(DX_LINK_P_IS_DIRTY | DX_LINK_P_IS_WOKEN);
        if (woken) dx_link_p_release(slot);
        dx_link_p_service(slot);
    }
}

/* A connection was accepted or established. */
static void dx_link_p_opened(dx_peers *peers, dx_peers_id id)
{
    dx_link *l = (dx_link *)peers->desc.user;
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    const bool accepted = !slot;
    if (accepted) {
        slot = dx_link_p_new(l);
        DX_LINK_ASSERT(slot); /* dx_peers.h accepts no more than links_max */
        slot->id = id;
        *dx_peers_data(peers, id) = (uint64_t)dx_link_p_number(slot) + 1;
    }
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_CONNECTING;
    slot->session.desc.keepalive_ns = l->desc.session.keepalive_ns;
    slot->until_ns = UINT64_MAX;
    dx_link_p_set_due(slot, UINT64_MAX);
    if (accepted && l->desc.hello && l->desc.hello->needs) dx_hbtp_require_hello(&slot->session);
    if (l->desc.counters && accepted) l->desc.counters->accepted++;
    else if (l->desc.counters) l->desc.counters->connected++;
    if (l->desc.opened) l->desc.opened(l, id);
    if (l->drain_ns_) (void)dx_link_close(l, id, DX_HBTP_STATUS_UNAVAILABLE, NULL);
    dx_link_p_soon(slot);
}

/* Input, or its end. */
static size_t dx_link_p_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                                 bool last)
{
    dx_link *l = (dx_link *)peers->desc.user;
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    dx_hbtp_session *s = &slot->session;
    size_t used;
    if (slot->flags & DX_LINK_P_IS_ENDING) {
        if (last) dx_link_p_soon(slot);
        return size; /* input after a Close is dropped */
    }
    used = s->state == DX_HBTP_CLOSED ? size : dx_link_p_feed(slot, bytes, size);
    l->received += used;
    if (last && s->state != DX_HBTP_CLOSED) {
        slot->reason = -ECONNRESET;
        slot->flags |= DX_LINK_P_IS_LOST;
        dx_hbtp_abort(s);
    }
    dx_link_p_soon(slot);
    return used;
}

/* The connection accepts output again. */
static void dx_link_p_drained(dx_peers *peers, dx_peers_id id)
{
    dx_link_p_slot *slot = dx_link_p_find((dx_link *)peers->desc.user, id);
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_FULL;
    slot->flags |= DX_LINK_P_IS_WOKEN | DX_LINK_P_IS_TAKEN;
    dx_link_p_soon(slot);
}

/* A connection has closed. */
static void dx_link_p_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    dx_link *l = (dx_link *)peers->desc.user;
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    if (!slot) return;
    if (!(slot->flags & DX_LINK_P_IS_LOST)) slot->reason = reason;
    slot->flags |= DX_LINK_P_IS_ENDING | DX_LINK_P_IS_LEAVING;
    dx_hbtp_abort(&slot->session);
    dx_link_p_undial(slot, slot->reason);
    if (l->desc.counters) l->desc.counters->closed++;
    if (l->desc.counters && slot->reason) l->desc.counters->lost++;
    if (l->desc.closed) l->desc.closed(l, id, slot->reason);
    dx_link_p_set_due(slot, UINT64_MAX);
    dx_link_p_free(slot);
}

/* >>public ------------------------------------------------------------- */
DX_LINK_API const char *dx_link_error_name(int error)
{
    switch (error) {
#define DX_LINK_P_CASE(value, name)                                                                \
    case value: return "DX_LINK_" #name;
    DX_LINK_ERRORS(DX_LINK_P_CASE)
#undef DX_LINK_P_CASE
    default: return "unknown error";
    }
}

/* Fill in the defaults. False: a field is out of its range. */
static bool dx_link_p_defaults(dx_link_desc *d)
{
    dx_hbtp_session_desc *s = &d->session;
    if (!d->links_max) d->links_max = DX_LINK_P_LINKS;
    if (!d->out_size) d->out_size = DX_HBTP_OUT_SIZE;
    if (!d->block_count && d->links_max <= UINT32_MAX / DX_LINK_P_BLOCKS)
        d->block_count = DX_LINK_P_BLOCKS * d->links_max;
    if (!d->block_size) d->block_size = DX_LINK_P_BLOCK_SIZE;
    if (!d->connect_ns) d->connect_ns = DX_LINK_P_CONNECT_S * DX_LINK_P_SECOND;
    if (!d->hello_ns) d->hello_ns = DX_LINK_P_HELLO_S * DX_LINK_P_SECOND;
    if (!d->linger_ns) d->linger_ns = DX_LINK_P_LINGER_S * DX_LINK_P_SECOND;
    if (!d->leave_ns) d->leave_ns = DX_LINK_P_LEAVE_S * DX_LINK_P_SECOND;
    if (!s->keepalive_ns) s->keepalive_ns = DX_LINK_P_KEEPALIVE_S * DX_LINK_P_SECOND;
    if (d->block_size <= DX_LINK_P_FRAME_EXTRA || s->cipher) return false;
    if (!s->payload_max) s->payload_max = d->block_size - DX_LINK_P_FRAME_EXTRA;
    s->on_output = dx_link_p_on_output;
    s->now_ns = dx_link_p_now;
    s->on_event = dx_link_p_on_event;
    if (d->counters && s->on_result) s->on_result = dx_link_p_on_result;
    return (!s->in_place || s->payload_max <= d->block_size - DX_LINK_P_FRAME_EXTRA) &&
           (uint64_t)d->block_count * d->block_size >= d->out_size;
}

/* The description for dx_peers.h. */
static dx_peers_desc dx_link_p_peers_desc(const dx_link_desc *d)
{
    dx_peers_desc peers;
    DX_LINK_MEMSET(&peers, 0, sizeof peers);
    peers.peers_max = d->links_max;
    peers.block_count = d->block_count;
    peers.block_size = d->block_size;
    peers.high_water = d->high_water;
    peers.idle_ns = d->idle_ns;
    peers.receive_when_full = true; /* to receive results, which need no room for an answer */
    peers.opened = dx_link_p_opened;
    peers.received = dx_link_p_received;
    peers.drained = dx_link_p_drained;
    peers.closed = dx_link_p_closed;
    return peers;
}

/* Compute defaults and sizes. Returns the bytes that desc.memory needs, *front of them for slots
   and heap; 0: a field is out of its range. */
static size_t dx_link_p_plan(dx_link *l, const dx_link_desc *desc, size_t *front)
{
    dx_peers_desc peers;
    uint64_t stride; /* 64 bits do not overflow: all terms have 32, links_max 24 */
    uint64_t slots;
    size_t rest;
    DX_LINK_MEMSET(l, 0, sizeof *l);
    l->desc = *desc;
    l->on_event_ = desc->session.on_event;
    l->on_result_ = desc->session.on_result;
    l->dial_ns_ = UINT64_MAX;
    if (!dx_link_p_defaults(&l->desc)) return 0;
    peers = dx_link_p_peers_desc(&l->desc);
    rest = dx_peers_memory_size(&peers);
    l->session_size_ = dx_hbtp_session_memory_size(&l->desc.session);
    if (!l->session_size_ || !rest) return 0;
    stride = (uint64_t)DX_LINK_P_SLOT_SIZE + l->session_size_ + l->desc.out_size;
    stride = (stride + DX_LINK_P_ALIGN - 1) / DX_LINK_P_ALIGN * DX_LINK_P_ALIGN;
    slots = l->desc.links_max * (stride + sizeof(uint32_t)) + DX_LINK_P_ALIGN;
    if (slots > SIZE_MAX - rest) return 0;
    l->stride_ = (size_t)stride;
    *front = (size_t)slots;
    return *front + rest;
}

DX_LINK_API size_t dx_link_memory_size(const dx_link_desc *desc)
{
    dx_link l;
    size_t front;
    return desc ? dx_link_p_plan(&l, desc, &front) : 0;
}

DX_LINK_API int dx_link_open(dx_link *l, dx_reactor *r, const dx_link_desc *desc)
{
    dx_peers_desc peers;
    dx_link_p_slot *first;
    size_t size;
    size_t front;
    if (!l || !r || !desc) return DX_LINK_EINVAL;
    size = dx_link_p_plan(l, desc, &front);
    if (!size) return DX_LINK_EINVAL;
    if (!desc->memory || desc->memory_size < size) return DX_LINK_ENOMEM;
    l->reactor = r;
    l->slots_ = (uint8_t *)desc->memory;
    l->slots_ += (0 - (uintptr_t)desc->memory) % DX_LINK_P_ALIGN;
    l->heap_ = (uint32_t *)(void *)(l->slots_ + (size_t)l->desc.links_max * l->stride_);
    first = dx_link_p_slot_at(l, 0); /* test one: later sessions then cannot fail */
    first->all = l;
    if (dx_link_p_begin_session(first)) return DX_LINK_EINVAL;
    peers = dx_link_p_peers_desc(&l->desc);
    peers.memory = (uint8_t *)desc->memory + front;
    peers.memory_size = size - front;
    peers.user = l;
    dx_reactor_op_init(&l->timer_op_, dx_link_p_on_timer, l);
    l->extension_.flush = dx_link_p_flush;
    l->extension_.user = l;
    if (dx_peers_open(&l->peers_, r, &peers)) return DX_LINK_EINVAL;
    /* Attached after dx_peers.h, so it is flushed before that: its output is sent at once. */
    return dx_reactor_ext_attach(r, &l->extension_);
}

DX_LINK_API int dx_link_listen(dx_link *l, int fd)
{
    return l ? dx_peers_listen(&l->peers_, fd) : (int)DX_LINK_EINVAL;
}

DX_LINK_API void dx_link_listen_end(dx_link *l) { dx_peers_listen_end(&l->peers_); }

DX_LINK_API bool dx_link_is_listening(const dx_link *l)
{
    return dx_peers_is_listening(&l->peers_);
}

/* Make a link on a descriptor, which it closes; after an error it stays the caller's. connects: it
   is not established yet. */
static int dx_link_p_begin(dx_link *l, int fd, const dx_reactor_address *address, bool connects,
                           dx_link_id *id)
{
    dx_link_p_slot *slot = dx_link_p_new(l);
    uint64_t hello_ns; /* when its answer is too late */
    int error = DX_LINK_OK;
    if (!slot) return DX_LINK_EAGAIN;
    DX_LINK_ASSERT(connects || !address);
    if (address) slot->address = *address;
    if (connects) {
        slot->flags |= DX_LINK_P_IS_CONNECTING;
        slot->session.desc.keepalive_ns = 0; /* not connected: no keepalive yet */
        slot->until_ns = dx_link_p_from_now(l, l->desc.connect_ns);
        hello_ns = slot->until_ns <= UINT64_MAX - l->desc.hello_ns
                       ? slot->until_ns + l->desc.hello_ns
                       : UINT64_MAX;
        if (l->desc.hello && dx_hbtp_say_hello(&slot->session, l->desc.hello, hello_ns))
            error = DX_LINK_EINVAL;
    }
    if (!error && dx_peers_add(&l->peers_, fd, address ? &slot->address : NULL, &slot->id))
        error = DX_LINK_EAGAIN;
    if (error) {
        dx_link_p_free(slot);
        return error;
    }
    *dx_peers_data(&l->peers_, slot->id) = (uint64_t)dx_link_p_number(slot) + 1;
    *id = slot->id;
    dx_link_p_soon(slot);
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_connect(dx_link *l, const dx_reactor_address *address, dx_link_id *id)
{
    int fd;
    int error;
    if (!l || !address || !id) return DX_LINK_EINVAL;
    if (l->drain_ns_) return DX_LINK_ECANCELED;
    error = dx_reactor_socket(l->reactor, address, DX_REACTOR_NODELAY, &fd);
    if (error) return error == DX_REACTOR_EINVAL ? DX_LINK_EINVAL : DX_LINK_ESYS;
    error = dx_link_p_begin(l, fd, address, true, id);
    if (error) (void)dx_reactor_ext_close_now(l->reactor, fd);
    return error;
}

DX_LINK_API int dx_link_add(dx_link *l, int fd, dx_link_id *id)
{
    if (!l || fd < 0 || !id) return DX_LINK_EINVAL;
    if (l->drain_ns_) return DX_LINK_ECANCELED;
    return dx_link_p_begin(l, fd, NULL, false, id);
}

DX_LINK_API int dx_link_prepare(dx_link *l, int fd, dx_link_id *id)
{
    if (!l || fd < 0 || !id) return DX_LINK_EINVAL;
    if (l->drain_ns_) return DX_LINK_ECANCELED;
    return dx_link_p_begin(l, fd, NULL, true, id);
}

DX_LINK_API int dx_link_ready(dx_link *l, dx_link_id id, int32_t reason)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    if (!slot) return l ? DX_LINK_ENOTFOUND : DX_LINK_EINVAL;
    if (reason > 0 || !(slot->flags & DX_LINK_P_IS_CONNECTING) || slot->address.size)
        return DX_LINK_EINVAL;
    if (reason) dx_link_p_cut(slot, reason);
    else dx_link_p_opened(&l->peers_, id);
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_dial(dx_link *l, dx_link_dialer *d, const dx_reactor_address *address,
                             uint64_t seed)
{
    const dx_link_dialer *other;
    if (!l || !d || !address) return DX_LINK_EINVAL;
    if (l->drain_ns_) return DX_LINK_ECANCELED;
    for (other = l->dialers_; other; other = other->next_)
        if (other == d) return DX_LINK_EINVAL;
    DX_LINK_MEMSET(d, 0, sizeof *d);
    d->all_ = l;
    d->address_ = *address;
    d->random_ = seed ? seed : 1; /* xorshift needs a nonzero seed */
    d->next_ = l->dialers_;
    l->dialers_ = d;
    if (dx_link_p_dial(d) != DX_LINK_EINVAL) return DX_LINK_OK;
    dx_link_dial_end(d); /* the error is permanent */
    return DX_LINK_EINVAL;
}

DX_LINK_API void dx_link_dial_end(dx_link_dialer *d)
{
    dx_link *l = d ? d->all_ : NULL;
    dx_link_p_slot *slot;
    dx_link_dialer **link;
    if (!l) return;
    slot = dx_link_p_find(l, d->id);
    link = &l->dialers_;
    while (*link != d) link = &(*link)->next_;
    *link = d->next_;
    d->all_ = NULL;
    if (slot) slot->dialer = NULL;
    dx_link_p_dial_due(l);
}

DX_LINK_API dx_hbtp_session *dx_link_session(const dx_link *l, dx_link_id id)
{
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    return slot ? &slot->session : NULL;
}

DX_LINK_API dx_link *dx_link_of(const dx_hbtp_session *session)
{
    return ((const dx_link_p_slot *)(const void *)session)->all;
}

DX_LINK_API dx_link_id dx_link_id_of(const dx_hbtp_session *session)
{
    return ((const dx_link_p_slot *)(const void *)session)->id;
}

DX_LINK_API int dx_link_fd(const dx_link *l, dx_link_id id)
{
    return l ? dx_peers_fd(&l->peers_, id) : -1;
}

DX_LINK_API int dx_link_wake(dx_link *l, dx_link_id id)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    if (!slot) return l ? DX_LINK_ENOTFOUND : DX_LINK_EINVAL;
    slot->retries = 0;
    slot->flags |= DX_LINK_P_IS_WOKEN;
    dx_link_p_soon(slot);
    return DX_LINK_OK;
}

/* Would a large frame use blocks reserved for answers? dx_peers.h closes a peer without a block
   that finds no free block, so test this first. */
static bool dx_link_p_is_short(const dx_link *l, uint32_t size)
{
    DX_LINK_ASSERT(size <= l->desc.block_size);
    return dx_peers_room(&l->peers_) < dx_link_p_kept(l) + size;
}

DX_LINK_API int dx_link_reserve(dx_link *l, dx_link_id id, uint32_t size, dx_hbtp_out *out)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    uint8_t *bytes = NULL;
    size_t left;
    int error;
    if (!l || !out || !size || size > l->desc.block_size) return DX_LINK_EINVAL;
    if (!slot) return DX_LINK_ENOTFOUND;
    (void)dx_link_p_pump(slot); /* frames keep their order */
    if (slot->flags & DX_LINK_P_IS_FULL) return DX_LINK_EAGAIN; /* drained will be called */
    if (slot->flags & DX_LINK_P_IS_LEAVING) return DX_LINK_ENOTFOUND;
    (void)dx_hbtp_out_data(&slot->out, &left);
    if (left || dx_link_p_is_short(l, size)) {
        dx_link_p_retry(slot);
        return DX_LINK_EAGAIN;
    }
    error = dx_peers_reserve(&l->peers_, id, size, &bytes);
    if (error == DX_PEERS_EAGAIN) dx_link_p_fill(slot);
    if (error) return error == DX_PEERS_EAGAIN ? DX_LINK_EAGAIN : DX_LINK_ENOTFOUND;
    slot->retries = 0;
    if (dx_hbtp_out_init(out, bytes, size)) return DX_LINK_EINVAL;
    (void)dx_hbtp_out_set_payload_max(out, slot->session.peer.payload_max);
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_commit(dx_link *l, dx_link_id id, const dx_hbtp_out *out)
{
    size_t size;
    if (!l || !out) return DX_LINK_EINVAL;
    (void)dx_hbtp_out_data(out, &size);
    if (dx_peers_commit(&l->peers_, id, (uint32_t)size)) return DX_LINK_ENOTFOUND;
    l->sent += size;
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_call_writable(dx_link *l, dx_link_id id)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    if (!slot) return l ? DX_LINK_ENOTFOUND : DX_LINK_EINVAL;
    slot->flags |= DX_LINK_P_IS_TAKEN;
    dx_link_p_soon(slot);
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_window(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                               uint32_t promised, uint32_t limit)
{
    const uint32_t most = dx_hbtp_credit_max(session);
    DX_LINK_ASSERT(session->desc.payload_max > 4);
    if (limit > most) limit = most;
    if (dx_window_init(w, promised, limit)) return DX_LINK_EINVAL;
    return dx_link_consumed(session, stream, w, 0);
}

DX_LINK_API int dx_link_arrived(const dx_hbtp_session *session, dx_window *w, size_t bytes)
{
    dx_link_counters *counters = dx_link_of(session)->desc.counters;
    if (bytes > w->promised) return DX_HBTP_ETOOBIG;
    (void)dx_window_arrived(w, (uint32_t)bytes, dx_link_p_now(session));
    if (counters && !w->promised) counters->credit_stalls++;
    if (counters) counters->round_trip_ns = w->round_trip_ns;
    return DX_HBTP_OK;
}

DX_LINK_API int dx_link_consumed(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                                 uint32_t bytes)
{
    const uint32_t more = dx_window_consumed(w, bytes, dx_link_p_now(session));
    return more ? dx_hbtp_grant(session, stream, more) : (int)DX_HBTP_OK;
}

DX_LINK_API int dx_link_close(dx_link *l, dx_link_id id, uint16_t status, const char *text)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    if (!slot) return l ? DX_LINK_ENOTFOUND : DX_LINK_EINVAL;
    if (slot->flags & DX_LINK_P_IS_CONNECTING) {
        dx_link_p_cut(slot, -ECANCELED); /* not connected: there is no peer to tell */
        return DX_LINK_OK;
    }
    if (dx_hbtp_close(&slot->session, status, text)) { /* full: the peer has not read for a while */
        dx_link_p_cut(slot, -ENOBUFS);
        return DX_LINK_OK;
    }
    dx_link_p_soon(slot);
    return DX_LINK_OK;
}

DX_LINK_API int dx_link_abort(dx_link *l, dx_link_id id)
{
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    if (!slot) return l ? DX_LINK_ENOTFOUND : DX_LINK_EINVAL;
    dx_link_p_cut(slot, -ECANCELED);
    return DX_LINK_OK;
}

DX_LINK_API void dx_link_drain(dx_link *l, uint64_t timeout_ns)
{
    uint32_t number;
    const uint64_t now = dx_reactor_now_ns(l->reactor);
    dx_peers_listen_end(&l->peers_);
    l->dial_ns_ = UINT64_MAX; /* no dialer connects from now on */
    l->drain_ns_ = timeout_ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + timeout_ns;
    if (!l->drain_ns_) l->drain_ns_ = 1; /* the clock may begin at 0 */
    for (number = 0; number < l->slots_used_; number++) {
        dx_link_p_slot *slot = dx_link_p_slot_at(l, number);
        if (!slot->id) continue;
        (void)dx_link_p_is_drained(slot); /* closed after its input was looked at */
        dx_link_p_soon(slot);
    }
    dx_link_p_arm(l);
}

#endif /* DX_LINK_IMPLEMENTATION */

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
