/*  dx_link.h - v0.3.0 - HBTP over the reactor: sessions with their connections, by handle
              - MIT-0 or public domain, see end of file

    A layer on dx_hbtp.h, dx_peers.h and dx_window.h, and so on dx_reactor.h. A "link" is a
    connection and the HBTP session on it. The layer receives, feeds, keeps what could not be
    dispatched, sends, tells a peer that does not read from one that is silent, connects, drains and
    closes; what is left to the program is what its messages mean.

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
        Use the functions of dx_hbtp.h on the session of a link as if there were nothing between
        it and the peer: dx_hbtp_call(), dx_hbtp_send(), dx_hbtp_reply(), dx_hbtp_publish() ... at
        any time on the reactor's thread. What they write is sent before the reactor waits next.
        Do not call feed, tick, abort, close, session_set_out: the layer does. Of a session that
        writers were used on directly, outside of a handler, tell it with dx_link_wake().

    GUARANTEES  No allocation, no global, no printing, no recursion. `closed` is called exactly once
                for each link, and nothing for that link after it; before it every request and
                stream of the session has ended. A handle never names a later link. A peer that does
                not read, or sends faster than it is answered, holds at most out_size, high_water
                and what the reactor's pool had received; it stops nobody else.
    LIMITS      As dx_peers.h; one thread: the reactor's. Needs desc.buffer_count of the reactor,
                and dx_reactor_run() or dx_reactor_run_once(). No session->cipher.
    CONFIG      DX_LINK_STATIC, DX_LINK_API, DX_LINK_ASSERT(c), DX_LINK_MEMSET
    ERRORS      dx_link_error: 0 = ok, negative = reason, with the values of dx_reactor_error. The
                reason that `closed` gets is 0 or -errno; session->error says more.
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
    X(-6, EAGAIN)     /* there are links_max; full at the moment */                                \
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

typedef struct dx_link_counters { /* of all links of a set; the caller sets it to zero */
    uint64_t accepted;       /* links, */
    uint64_t connected;      /* those that have come about, */
    uint64_t closed;         /* those that ended, */
    uint64_t lost;           /* and those of them that ended without a Close */
    uint64_t frames;         /* dispatched */
    uint64_t results;        /* of requests of ours, */
    uint64_t deadlines;      /* and those of them that came to nothing in time */
    uint64_t held;           /* times when input waited: for room, a turn or a handler */
    uint64_t full;           /* times when a connection took no more output */
    uint64_t credit_stalls;  /* times when a peer had used up all of a dx_link_window() */
    uint64_t round_trip_ns;  /* the shortest of the window that was last asked; 0: none yet */
} dx_link_counters;

typedef struct dx_link_desc { /* zero = the default written behind each field */
    void    *memory;      /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size; /* bytes; at least dx_link_memory_size() */
    uint32_t links_max;   /* at a time, then accepting pauses; 1024 */
    uint32_t out_size;    /* of each session's response buffer; DX_HBTP_OUT_SIZE */
    uint32_t block_count; /* for output, and input that is held; all links share them, see
                             dx_peers_desc; two for each link */
    uint32_t block_size;  /* bytes of each; 16384 */
    uint32_t high_water;  /* of output under way, from there on answers wait; four blocks */
    uint64_t connect_ns;  /* for a connection to come about; 10 s, UINT64_MAX: any time */
    uint64_t hello_ns;    /* for the answer to our Hello, added to that; 60 s, or as above */
    uint64_t linger_ns;   /* from our Close to the end of the connection; 5 s, or as above */
    uint64_t leave_ns;    /* for a link that a dialer has left, because its peer drains it, to end:
                             then it is lost, -ETIMEDOUT; 60 s, or as above */
    uint64_t idle_ns;     /* no byte in either direction for so long, late by up to three eighths:
                             lost, -ETIMEDOUT; never. Unlike session.keepalive_ns it asks nothing of
                             a peer that takes our output slowly */
    dx_hbtp_session_desc session; /* of every link. memory, memory_size, out, on_output and now_ns
                                     are the layer's; payload_max: block_size - 12, with in_place
                                     at most that: the beginning of a frame then waits in a shared
                                     block, not in a buffer of the session, so peers that dribble
                                     can take blocks from others; keepalive_ns: 30 s, UINT64_MAX:
                                     never; user: where that of each link begins */
    const dx_hbtp_hello *hello; /* what links that connect say first; borrowed. NULL: nothing, they
                                   are of version 1. Those that were accepted answer by the route
                                   for DX_HBTP_OP_HELLO; with hello->needs they insist on it */
    dx_link_counters *counters; /* borrowed, beside `sent` and `received`; NULL: nothing counts */
    void    *user;        /* the caller's */

    /* They may be NULL, and may call everything below. */

    /* A connection was accepted, or has come about. session->desc.user is the caller's to set. */
    void   (*opened)(dx_link *l, dx_link_id id);
    /* Output was taken from a buffer that was half full or more: dx_hbtp_send() and others that had
       no room have some. Also after dx_link_reserve() said EAGAIN, when it may be tried again, and
       after dx_link_call_writable(). */
    void   (*writable)(dx_link *l, dx_link_id id);
    /* Input of a link changed in kind. begun: a frame, or the next one, has begun to arrive and is
       not whole; else: what had begun is whole now. An attacker's half frames and a peer's requests
       are told apart by this. */
    void   (*partial)(dx_link *l, dx_link_id id, bool begun);
    /* Asked while the links drain: is something under way on this one that requests and streams do
       not show, a transfer behind an answer, say? Then it stays open; wake it at the end of that.
       NULL: never. */
    bool   (*busy)(dx_link *l, dx_link_id id);
    /* Asked while the links drain: will the peer ask for more on this one to end what it has begun?
       Then the drain passes it by: the peer is not told, its requests are answered, and the link
       stays open until this says no, at the latest until timeout_ns have passed. NULL: never. */
    bool   (*unfinished)(dx_link *l, dx_link_id id);
    /* Once for each link. 0: after a Close, of either side; else -errno: it was lost. */
    void   (*closed)(dx_link *l, dx_link_id id, int32_t reason);
} dx_link_desc;

typedef struct dx_link_dialer { /* caller-allocated, not to be moved; the first may be read */
    dx_link_id  id;       /* the link for new requests; 0: there is none at the moment */
    uint32_t    failures; /* attempts in a row that came to nothing, or to little */
    int32_t     reason;   /* why the last link ended, as for closed */

    dx_link    *all_;
    struct dx_link_dialer *next_; /* of the list of a set */
    dx_reactor_address address_;
    uint64_t    due_ns_;   /* when it connects again; UINT64_MAX: it has a link */
    uint64_t    began_ns_; /* when that was begun */
    uint64_t    random_;
} dx_link_dialer;

struct dx_link { /* caller-allocated, not to be moved; the first fields may be read */
    dx_reactor  *reactor;
    dx_link_desc desc;       /* with its defaults filled in */
    uint32_t     count;      /* links that are open */
    uint64_t     sent;       /* bytes, handed to their connections, */
    uint64_t     received;   /* and taken from them */

    dx_peers     peers_;     /* their connections */
    dx_reactor_extension extension_; /* services what is dirty, before the reactor waits */
    uint8_t     *slots_;     /* stride_ bytes each: a dx_link_p_slot, then the session's memory, */
    size_t       stride_;    /* then its response buffer */
    size_t       session_size_;
    uint32_t    *heap_;      /* slots by due_ns: see the picture in >>due */
    uint32_t     heap_count_;
    uint32_t     slots_used_; /* slots that were ever used; memory behind them is untouched */
    uint32_t     free_;      /* a list of slots used before; 1 is the first slot, 0: none */
    uint32_t     dirty_;     /* a list of slots that something was written in */
    dx_op        timer_op_;  /* for the first of the heap */
    uint64_t     drain_ns_;  /* when what is left of the links is closed; 0: no drain */
    dx_link_dialer *dialers_;
    uint64_t     dial_ns_;   /* when the first of them connects again */
    dx_hbtp_event_fn *on_event_; /* the caller's */
    dx_hbtp_result_fn *on_result_; /* the caller's, with counters */
};

/* >>api ---------------------------------------------------------------- */
/* Bytes that desc.memory must have; 0: a field is out of its range. */
DX_LINK_API size_t dx_link_memory_size(const dx_link_desc *desc);
/* *l is used until dx_reactor_close(), which closes its links. EINVAL, ENOMEM. */
DX_LINK_API int dx_link_open(dx_link *l, dx_reactor *r, const dx_link_desc *desc);
/* Accept on fd, which stays the caller's. Once for each *l. EINVAL. Nothing has begun and it may be
   tried again: EAGAIN, the reactor has no operation left; ECANCELED, it is being closed. */
DX_LINK_API int dx_link_listen(dx_link *l, int fd);
/* A link to *address, which is copied. Its session can be used at once: what is written goes out
   when the connection has come about. EINVAL: also a Hello that does not fit into out_size; EAGAIN,
   ECANCELED, ESYS: there is no link. */
DX_LINK_API int dx_link_connect(dx_link *l, const dx_reactor_address *address, dx_link_id *id);
/* A link on a connected, non-blocking stream, which says no Hello; opened is not called. As
   dx_link_connect(); without a link fd stays the caller's. */
DX_LINK_API int dx_link_add(dx_link *l, int fd, dx_link_id *id);

/* Keep a link to *address from now on: connect, and again when it was lost or the peer drains it,
   100 ms later, 200 ms ... 5 s, each shortened at random by up to a half, and from the beginning
   after one that has lived for 5 s. `opened` says when one has come about, d->id which it is; what
   had been asked on the one before has ended, or ends on the link that is drained. seed: a number
   that other clients do not have, lest all of them come back together. *d is borrowed until
   dx_link_dial_end() or dx_reactor_close(). EINVAL: also where dx_link_connect() says it, and *d
   that is in use; ECANCELED: the links are being drained. */
DX_LINK_API int dx_link_dial(dx_link *l, dx_link_dialer *d, const dx_reactor_address *address,
                             uint64_t seed);
/* Not any more: *d is the caller's again, its link goes on. Also inside callbacks. Nothing where *d
   was ended already, or is all zero. */
DX_LINK_API void dx_link_dial_end(dx_link_dialer *d);

/* The session of a link, until closed has returned; then NULL. */
DX_LINK_API dx_hbtp_session *dx_link_session(const dx_link *l, dx_link_id id);
/* The inverse: whose session it is, of a handler, say. */
DX_LINK_API dx_link   *dx_link_of(const dx_hbtp_session *session);
DX_LINK_API dx_link_id dx_link_id_of(const dx_hbtp_session *session);
/* Its descriptor, to ask the system about; -1. */
DX_LINK_API int dx_link_fd(const dx_link *l, dx_link_id id);

/* Something was written to the session's buffer directly, or a handler that said EAGAIN may be
   called again: before the reactor waits next. Without it such a handler is called again 10 ms, 20
   ms ... 320 ms later. ENOTFOUND. */
DX_LINK_API int dx_link_wake(dx_link *l, dx_link_id id);

/* Large frames, a FileChunk say, without a copy and without a large buffer for each session: *out
   becomes a response buffer of `size` bytes, at most block_size, in a block of the connection.
   Write frames of the program into it, no answers; one with a larger payload than the peer takes is
   refused by its writer, DX_HBTP_ETOOBIG. Then, before anything else is called, call
   dx_link_commit(). EAGAIN: the connection takes no more for now, or others have all blocks but the
   eighth that is kept for answers; writable will be called. ENOTFOUND; EINVAL: size. */
DX_LINK_API int dx_link_reserve(dx_link *l, dx_link_id id, uint32_t size, dx_hbtp_out *out);
/* Send what was written into *out, behind all that the session has written before. ENOTFOUND. */
DX_LINK_API int dx_link_commit(dx_link *l, dx_link_id id, const dx_hbtp_out *out);
/* Have `writable` called before the reactor waits next: a handler that begins a transfer lets it go
   on there, behind the answer that it has just written. ENOTFOUND. */
DX_LINK_API int dx_link_call_writable(dx_link *l, dx_link_id id);

/* A window for what comes on a stream, which grows as dx_window.h says, in place of calls of
   dx_hbtp_grant(): in on_stream for OPENED, or behind dx_hbtp_open(). *w is the caller's, one for
   each stream. promised: what the peer may send already, so the credit that it got by our Hello, or
   by dx_hbtp_open(). limit: bytes that the program keeps of it at most;
   dx_hbtp_credit_max() limits it, too. EINVAL: as dx_window_init(). As dx_hbtp_grant(). */
DX_LINK_API int dx_link_window(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                               uint32_t promised, uint32_t limit);
/* A chunk of so many bytes has come: in on_stream, before dx_link_consumed(). 0, or what on_stream
   is to return: DX_HBTP_ETOOBIG, more than was promised. */
DX_LINK_API int dx_link_arrived(const dx_hbtp_session *session, dx_window *w, size_t bytes);
/* The program needs the memory of so many bytes no more; at any time. As dx_hbtp_grant(). */
DX_LINK_API int dx_link_consumed(dx_hbtp_session *session, uint32_t stream, dx_window *w,
                                 uint32_t bytes);

/* Send a Close behind what is queued, and end: `closed` is called later. A peer that takes neither
   is cut off after linger_ns. ENOTFOUND. */
DX_LINK_API int dx_link_close(dx_link *l, dx_link_id id, uint16_t status, const char *text);
/* End now: requests and streams under way end inside, no handler is called any more; `closed` is
   called later, with -ECANCELED. ENOTFOUND. */
DX_LINK_API int dx_link_abort(dx_link *l, dx_link_id id);
/* Accept and connect no more. Tell the peers that understand it, answer new requests with 503, and
   close each link when no request of either side waits on it, no stream is open and it is neither
   `busy` nor `unfinished`; when timeout_ns have passed, those that are left (503). Done when count
   is 0, at the latest linger_ns after that. Called again it sets another time. */
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

/* Where no desc gives a value. */
enum {
    DX_LINK_P_LINKS       = 1024,
    DX_LINK_P_BLOCKS      = 2,   /* for each link */
    DX_LINK_P_BLOCK_SIZE  = 16384,
    DX_LINK_P_CONNECT_S   = 10,
    DX_LINK_P_HELLO_S     = 60,  /* a server that reads a large store is silent for a while */
    DX_LINK_P_LINGER_S    = 5,
    DX_LINK_P_LEAVE_S     = 60,
    DX_LINK_P_KEEPALIVE_S = 30,
    DX_LINK_P_FRAME_EXTRA = DX_HBTP_HEADER_SIZE + DX_HBTP_CHECKSUM_SIZE, /* beside its payload */
    DX_LINK_P_RETRY_NS    = 10000000, /* what was told EAGAIN, or said it, has its turn by then, */
    DX_LINK_P_RETRIES     = 5,   /* which doubles so often while nothing comes of it */
    DX_LINK_P_KEPT        = 8,   /* one in so many blocks is for answers, not for large frames */
    DX_LINK_P_DIAL_MIN    = 100000000, /* ns between attempts to connect, doubling ... */
    DX_LINK_P_DOUBLINGS   = 6,        /* ... so often, up to DIAL_S */
    DX_LINK_P_DIAL_S      = 5,
    DX_LINK_P_ALIGN       = 16
};
#define DX_LINK_P_SECOND ((uint64_t)1000000000) /* ns */

/* >>links --------------------------------------------------------------
   The memory of a set: slots, the heap of their deadlines, and that of dx_peers.h. The connection's
   own word names the slot, the slot names the connection, so each is found from the other by one
   load; the session is the slot's first field:

       handle --> dx_peers_data() --> slot number --> | session | out | ... | requests | buffer |
         ^                                              |   ^
         '------------------- slot.id <-----------------'   '--- dx_link_id_of(session)

   What becomes of a link, in flags:

       CONNECTING --> (open) --+--> the session is closed, by a Close or an error of the peer, or by
             |                 |    dx_link_close(): ENDING, until all output was taken
             |                 |                        |
             |                 |                        v
             '-----------------+--> lost ----------> LEAVING: the connection closes --> free */
enum { /* dx_link_p_slot.flags */
    DX_LINK_P_IS_CONNECTING = 1,
    DX_LINK_P_IS_HELD       = 2,  /* input waits: for room, for a turn, or for a handler */
    DX_LINK_P_IS_FULL       = 4,  /* the connection takes no output for now */
    DX_LINK_P_IS_ENDING     = 8,  /* the session is closed; output may be left */
    DX_LINK_P_IS_LEAVING    = 16, /* dx_peers_close() was called, it will say closed */
    DX_LINK_P_IS_DIRTY      = 32, /* in the list of what is serviced before the reactor waits */
    DX_LINK_P_IS_LOST       = 64, /* without a Close: reason says how */
    DX_LINK_P_IS_WOKEN      = 128, /* there may be room again: show it what is held */
    DX_LINK_P_IS_TAKEN      = 256, /* there is room for output again: tell the program */
    DX_LINK_P_IS_SHORT      = 512  /* others had the blocks: tell it when the time has come */
};

typedef struct dx_link_p_slot {
    dx_hbtp_session    session; /* first: a session is its slot */
    dx_hbtp_out        out;
    dx_link           *all;
    dx_link_id         id;      /* of the connection, and of the link */
    dx_link_dialer    *dialer;  /* whose link it is; NULL: nobody's */
    dx_reactor_address address; /* lent while it connects */
    uint64_t           due_ns;  /* when it is to be serviced; UINT64_MAX: not in the heap */
    uint64_t           begun_ns; /* of a frame that is not whole, as `partial` was told; 0: none */
    uint64_t           until_ns; /* when it is cut off: CONNECTING, ENDING, or left by its dialer;
                                    UINT64_MAX: never */
    uint32_t           heap_at; /* its place in the heap */
    uint32_t           next;    /* of the list of free or dirty slots, counted from 1 */
    int32_t            reason;  /* for closed */
    uint32_t           retries; /* in vain, at most DX_LINK_P_RETRIES */
    uint32_t           flags;   /* DX_LINK_P_IS_ */
} dx_link_p_slot;

/* What it takes: behind it its session lies, aligned to 8 on 32-bit machines, too. */
#define DX_LINK_P_SLOT_SIZE ((sizeof(dx_link_p_slot) + 7) / 8 * 8)

/* By number, from 0. */
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

/* One that still has to say or hear something; NULL: closed, or about to be. */
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

/* The session's word that something was written outside of feed. */
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

/* So long from now; UINT64_MAX: never. */
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

/* A slot with a new session; NULL: all are taken. */
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
    DX_LINK_ASSERT(!error); /* dx_link_open() has tried it */
    (void)error;
    l->count++;
    return slot;
}

/* Its end, or that of an attempt: a slot that may be used again. */
static void dx_link_p_free(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    const uint32_t number = dx_link_p_number(slot) + 1;
    uint32_t *link = &l->dirty_; /* where the list of what is dirty names it */
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
   When each link is to be serviced next: a request expires, a peer becomes too silent, a handler is
   to be called again. A binary heap of the numbers of slots, the earliest at its top, for which one
   timer of the reactor runs:

       heap_   [0]        parent of i: (i - 1) / 2
              /   \
           [1]     [2]    each is due no earlier than its parent
           / \     / \

   A deadline that is put off, as the keepalive is by each frame that comes, stays in its place: the
   link is serviced too early then, and says when to come again. */

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

/* Move what stands at a place up or down to where it belongs. */
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

/* Let the timer run for the earliest; without one it stops by itself. */
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

/* Service a link at that time; UINT64_MAX: at none. */
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
   A session writes into its response buffer. From there everything goes into blocks of the
   connection, as long as it takes some, and leaves room for the session again:

       session --> | out | --> blocks under way --> the peer
                  out_size      high_water: above it the connection is FULL, out fills up, and
                                requests wait in the input until it is drained */

/* The connection takes no more; it will say when. */
static void dx_link_p_fill(dx_link_p_slot *slot)
{
    dx_link_counters *counters = slot->all->desc.counters;
    DX_LINK_ASSERT(slot->id);
    slot->flags |= DX_LINK_P_IS_FULL;
    if (counters) counters->full++;
}

/* Hand output to the connection. True: the session has more room now. */
static bool dx_link_p_pump(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    bool moved = false;
    int error = DX_PEERS_OK;
    DX_LINK_ASSERT(slot->id && l->count > 0);
    while (!(slot->flags & (DX_LINK_P_IS_FULL | DX_LINK_P_IS_LEAVING))) {
        size_t size;
        const uint8_t *bytes = dx_hbtp_out_data(&slot->out, &size);
        if (!size) break;
        if (size >= l->desc.out_size / 2) slot->flags |= DX_LINK_P_IS_TAKEN;
        error = dx_peers_send(&l->peers_, slot->id, bytes, (uint32_t)size);
        if (error == DX_PEERS_EAGAIN) {
            dx_link_p_fill(slot);
        } else {
            (void)dx_hbtp_out_consume(&slot->out, size);
            if (!error) l->sent += size;
            moved = true;
            if (error) slot->flags |= DX_LINK_P_IS_LEAVING; /* `closed` will be called */
        }
    }
    return moved;
}

/* The session is closed: when all that it said was taken, end the connection. The peer has
   linger_ns for both. */
static void dx_link_p_leave(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    size_t left;
    DX_LINK_ASSERT(slot->session.state == DX_HBTP_CLOSED);
    if (slot->flags & DX_LINK_P_IS_LEAVING) return;
    if (!(slot->flags & DX_LINK_P_IS_ENDING)) {
        slot->flags |= DX_LINK_P_IS_ENDING;
        slot->until_ns = dx_link_p_from_now(l, l->desc.linger_ns);
        dx_link_p_set_due(slot, slot->until_ns);
        /* What comes now is dropped: two that are held and wait for each other would stay. */
        slot->flags &= ~(uint32_t)DX_LINK_P_IS_HELD;
        (void)dx_peers_hold(&l->peers_, slot->id, false);
    }
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
    dx_hbtp_abort(&slot->session); /* nor is anything dispatched any more */
}

/* >>input --------------------------------------------------------------
   The session takes bytes where the connection shows them. What it leaves stays with the connection
   and is shown again: a frame that is not whole yet with the bytes that follow; a request that
   finds no room, or comes when the link has had its turn, after a hold:

       WANTS_INPUT    the beginning of a frame: receive on
       WANTS_OUTPUT   hold, until output was taken
       WANTS_TURN     hold, until the others had their turn; after EAGAIN until somebody wakes it */

/* How long to wait for what nobody may announce: others' blocks, a handler that said EAGAIN. */
static uint64_t dx_link_p_retry_ns(dx_link_p_slot *slot)
{
    const uint64_t ns = (uint64_t)DX_LINK_P_RETRY_NS << slot->retries;
    DX_LINK_ASSERT(slot->retries <= DX_LINK_P_RETRIES);
    if (slot->retries < DX_LINK_P_RETRIES) slot->retries++;
    return ns;
}

/* Until it is released, nothing comes. */
static void dx_link_p_hold(dx_link_p_slot *slot)
{
    DX_LINK_ASSERT(!(slot->flags & DX_LINK_P_IS_LEAVING));
    slot->flags |= DX_LINK_P_IS_HELD;
    if (slot->all->desc.counters) slot->all->desc.counters->held++;
    (void)dx_peers_hold(&slot->all->peers_, slot->id, true);
}

/* Tell the program of a frame that has begun to arrive, or is whole. */
static void dx_link_p_watch(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    uint64_t begun_ns = 0;
    const bool begun = dx_hbtp_has_begun(&slot->session, &begun_ns);
    if (begun && !begun_ns) begun_ns = 1; /* a clock that begins at 0 */
    if (begun_ns == slot->begun_ns) return;
    DX_LINK_ASSERT(slot->id);
    slot->begun_ns = begun_ns;
    if (l->desc.partial) l->desc.partial(l, slot->id, begun);
}

/* Dispatch bytes as far as they go. Returns how many are consumed. */
static size_t dx_link_p_feed(dx_link_p_slot *slot, const uint8_t *bytes, size_t size)
{
    dx_hbtp_session *s = &slot->session;
    const uint64_t now = dx_reactor_now_ns(slot->all->reactor);
    const uint64_t before = s->counters.frames;
    size_t used = 0;
    uint64_t frames; /* of the session, before the last feed */
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
    if (s->state == DX_HBTP_WANTS_TURN) { /* its share was used up, or a handler waits for others */
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
   All that a link does beside taking input happens in one place, at most once between two waits of
   the reactor, when something was written in it, came for it or is due:

       dirty, due --> send --> tick --> send --> closed: leave;  draining: tell the peer, where it
                                                 was not; when it knows and is idle, Close;
                                                 else: tell that there is room, and know when to
                                                 come again */
/* Has all ended that a drain waits for? Tells the peer of it, where it was not told yet. */
static bool dx_link_p_is_drained(dx_link_p_slot *slot)
{
    dx_link *l = slot->all;
    if (slot->flags & DX_LINK_P_IS_CONNECTING) return false;
    if (l->desc.unfinished && l->desc.unfinished(l, slot->id)) return false;
    if (dx_hbtp_drain(&slot->session, DX_HBTP_STATUS_UNAVAILABLE, NULL)) return false;
    return dx_hbtp_is_idle(&slot->session) && !(l->desc.busy && l->desc.busy(l, slot->id));
}

/* Let time pass, send what there is, and find out when to come again. */
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
    if (next < slot->due_ns) dx_link_p_set_due(slot, next); /* later ones are found out then */
    if (slot->flags & DX_LINK_P_IS_TAKEN) {
        slot->flags &= ~(uint32_t)DX_LINK_P_IS_TAKEN;
        if (l->desc.writable) l->desc.writable(l, slot->id);
    }
}

/* Show a link its input again: first a frame that the session has gathered itself, then what the
   connection has kept. */
static void dx_link_p_release(dx_link_p_slot *slot)
{
    if (!(slot->flags & DX_LINK_P_IS_HELD) || (slot->flags & DX_LINK_P_IS_LEAVING)) return;
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_HELD;
    (void)dx_link_p_feed(slot, NULL, 0);
    if (slot->flags & DX_LINK_P_IS_HELD) return;
    (void)dx_peers_hold(&slot->all->peers_, slot->id, false); /* calls received */
}

/* Its time has come. */
static void dx_link_p_expire(dx_link_p_slot *slot)
{
    DX_LINK_ASSERT(slot->due_ns != UINT64_MAX);
    dx_link_p_set_due(slot, UINT64_MAX);
    if (slot->flags & DX_LINK_P_IS_SHORT) slot->flags |= DX_LINK_P_IS_TAKEN;
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_SHORT;
    if (dx_reactor_now_ns(slot->all->reactor) >= slot->until_ns) {
        dx_link_p_cut(slot, -ETIMEDOUT); /* nobody is there, or takes our Close */
    } else {
        dx_link_p_release(slot);
        dx_link_p_service(slot);
    }
}

/* >>dialers ------------------------------------------------------------
   A dialer has a link, or a time at which it tries to get one:

       connect --> link --- lost, or the peer drains it --> put off --> connect
          '--------------------- no link ------------------^

   A link that its peer drains is given up at once: it ends by itself, its dialer has another. There
   are few dialers, so they are a list, and dial_ns_ the earliest time in it. */

/* The earliest of them. */
static void dx_link_p_dial_due(dx_link *l)
{
    const dx_link_dialer *d;
    DX_LINK_ASSERT(l->reactor);
    l->dial_ns_ = UINT64_MAX;
    for (d = l->drain_ns_ ? NULL : l->dialers_; d; d = d->next_)
        if (d->due_ns_ < l->dial_ns_) l->dial_ns_ = d->due_ns_;
    dx_link_p_arm(l);
}

/* Try again after a while, the longer the more often it was in vain. */
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
    error = dx_link_connect(d->all_, &d->address_, &d->id);
    if (error) {
        d->failures++;
        dx_link_p_put_off(d);
    } else {
        dx_link_p_find(d->all_, d->id)->dialer = d;
    }
    return error;
}

/* All whose time has come. */
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
   The reactor's timer and flush, and what dx_peers.h says of a connection. */
/* The time of the earliest, or of a drain, has come: timer_op_.fn. */
static void dx_link_p_on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_link *l = (dx_link *)dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(r);
    uint32_t turns = l->heap_count_;
    uint32_t number;
    (void)flags;
    if (result < 0) { /* stopped; something may have come meanwhile */
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

/* What a session reports: a peer that drains it gets no more of its dialer. */
static void dx_link_p_on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    dx_link_p_slot *slot = (dx_link_p_slot *)(void *)s; /* its first field */
    if (event == DX_HBTP_EVENT_DRAIN && slot->dialer) {
        dx_link_p_undial(slot, 0);
        slot->until_ns = dx_link_p_from_now(slot->all, slot->all->desc.leave_ns);
        dx_link_p_soon(slot); /* which finds out when that is */
    }
    if (slot->all->on_event_) slot->all->on_event_(s, event, frame);
}

/* What became of a request of ours, where that counts. */
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
    l->dirty_ = 0; /* what becomes dirty meanwhile has its turn next time */
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

/* A connection was accepted, or has come about. */
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

/* Bytes, or their end. */
static size_t dx_link_p_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                                 bool last)
{
    dx_link *l = (dx_link *)peers->desc.user;
    dx_link_p_slot *slot = dx_link_p_find(l, id);
    dx_hbtp_session *s = &slot->session;
    size_t used;
    if (slot->flags & DX_LINK_P_IS_ENDING) {
        if (last) dx_link_p_soon(slot);
        return size; /* nothing is read behind a Close */
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

/* The connection takes output again. */
static void dx_link_p_drained(dx_peers *peers, dx_peers_id id)
{
    dx_link_p_slot *slot = dx_link_p_find((dx_link *)peers->desc.user, id);
    slot->flags &= ~(uint32_t)DX_LINK_P_IS_FULL;
    slot->flags |= DX_LINK_P_IS_WOKEN | DX_LINK_P_IS_TAKEN;
    dx_link_p_soon(slot);
}

/* The end of a link. */
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

/* What dx_peers.h gets of it. */
static dx_peers_desc dx_link_p_peers_desc(const dx_link_desc *d)
{
    dx_peers_desc peers;
    DX_LINK_MEMSET(&peers, 0, sizeof peers);
    peers.peers_max = d->links_max;
    peers.block_count = d->block_count;
    peers.block_size = d->block_size;
    peers.high_water = d->high_water;
    peers.idle_ns = d->idle_ns;
    peers.receive_when_full = true; /* what is no request is taken in all the same */
    peers.opened = dx_link_p_opened;
    peers.received = dx_link_p_received;
    peers.drained = dx_link_p_drained;
    peers.closed = dx_link_p_closed;
    return peers;
}

/* Defaults and sizes. Bytes that desc.memory needs, *front of them for slots and heap; 0: a field
   is out of its range. */
static size_t dx_link_p_plan(dx_link *l, const dx_link_desc *desc, size_t *front)
{
    dx_peers_desc peers;
    uint64_t stride; /* with 64 bits it does not wrap: all terms have 32, links_max 24 */
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
    first = dx_link_p_slot_at(l, 0); /* try it: only then it can be relied upon */
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
    /* Attached behind dx_peers.h, so it is flushed before that: what it sends goes out at once. */
    return dx_reactor_ext_attach(r, &l->extension_);
}

DX_LINK_API int dx_link_listen(dx_link *l, int fd)
{
    return l ? dx_peers_listen(&l->peers_, fd) : (int)DX_LINK_EINVAL;
}

/* A link on a descriptor, which it closes from then on; without a link it stays the caller's. */
static int dx_link_p_begin(dx_link *l, int fd, const dx_reactor_address *address, dx_link_id *id)
{
    dx_link_p_slot *slot = dx_link_p_new(l);
    uint64_t hello_ns; /* when its answer is too late */
    int error = DX_LINK_OK;
    if (!slot) return DX_LINK_EAGAIN;
    if (address) {
        slot->address = *address;
        slot->flags |= DX_LINK_P_IS_CONNECTING;
        slot->session.desc.keepalive_ns = 0; /* nobody is there who could be silent */
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
    error = dx_link_p_begin(l, fd, address, id);
    if (error) (void)dx_reactor_ext_close_now(l->reactor, fd);
    return error;
}

DX_LINK_API int dx_link_add(dx_link *l, int fd, dx_link_id *id)
{
    if (!l || fd < 0 || !id) return DX_LINK_EINVAL;
    if (l->drain_ns_) return DX_LINK_ECANCELED;
    return dx_link_p_begin(l, fd, NULL, id);
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
    d->random_ = seed ? seed : 1; /* which alone would stay as it is */
    d->next_ = l->dialers_;
    l->dialers_ = d;
    if (dx_link_p_dial(d) != DX_LINK_EINVAL) return DX_LINK_OK;
    dx_link_dial_end(d); /* it will never be otherwise */
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

/* Would a large frame take of the blocks that are kept for answers? Who has no block when there is
   none left is closed, so this is found out before dx_peers.h is asked. */
static bool dx_link_p_is_short(const dx_link *l, uint32_t size)
{
    const uint64_t kept = (uint64_t)(l->desc.block_count / DX_LINK_P_KEPT) * l->desc.block_size;
    DX_LINK_ASSERT(size <= l->desc.block_size);
    return dx_peers_room(&l->peers_) < kept + size;
}

/* Nothing of this link says when others give blocks back: it tries again after a while. */
static void dx_link_p_retry(dx_link_p_slot *slot)
{
    uint64_t when;
    DX_LINK_ASSERT(!(slot->flags & (DX_LINK_P_IS_ENDING | DX_LINK_P_IS_LEAVING)));
    if (slot->flags & DX_LINK_P_IS_CONNECTING) { /* it is serviced as soon as it has connected */
        slot->flags |= DX_LINK_P_IS_TAKEN;
        return;
    }
    slot->flags |= DX_LINK_P_IS_SHORT;
    when = dx_reactor_now_ns(slot->all->reactor) + dx_link_p_retry_ns(slot);
    if (when < slot->due_ns) dx_link_p_set_due(slot, when);
}

DX_LINK_API int dx_link_reserve(dx_link *l, dx_link_id id, uint32_t size, dx_hbtp_out *out)
{
    dx_link_p_slot *slot = dx_link_p_find_open(l, id);
    uint8_t *bytes = NULL;
    int error;
    if (!l || !out || !size || size > l->desc.block_size) return DX_LINK_EINVAL;
    if (!slot) return DX_LINK_ENOTFOUND;
    (void)dx_link_p_pump(slot); /* frames keep their order */
    if (slot->flags & DX_LINK_P_IS_FULL) return DX_LINK_EAGAIN; /* drained will be called */
    if (dx_link_p_is_short(l, size)) {
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
        dx_link_p_cut(slot, -ECANCELED); /* nobody is there to be told */
        return DX_LINK_OK;
    }
    if (dx_hbtp_close(&slot->session, status, text)) { /* full: the peer has not read for long */
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
    l->dial_ns_ = UINT64_MAX; /* nobody connects any more */
    l->drain_ns_ = timeout_ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + timeout_ns;
    if (!l->drain_ns_) l->drain_ns_ = 1; /* a clock that begins at 0 */
    for (number = 0; number < l->slots_used_; number++) {
        dx_link_p_slot *slot = dx_link_p_slot_at(l, number);
        if (!slot->id) continue;
        (void)dx_link_p_is_drained(slot); /* it is closed once its input was looked at */
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
