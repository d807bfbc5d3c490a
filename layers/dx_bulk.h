/*  dx_bulk.h - v0.3.0 - one object over 1 to 256 connections, any of which may fail
              - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_BULK_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_bulk.h"

    and include it elsewhere without the define. C99; also builds as C++11. It stands on dx_hbtp.h,
    which it includes unless that was included before; with the first of the two defines, define its
    implementation too. It does no input or output and reads no clock: connections, the object's
    storage and time are the caller's. programs/dxwan/net/bulk.c drives it on dx_link.h.

    QUICK EXAMPLE

        #define SIZE 100000
        static uint8_t from[SIZE], to[SIZE], wire[1 << 18];
        static uint64_t sender_memory[1024], receiver_memory[10240];
        static const void *read_object(void *user, uint64_t offset, uint32_t size)
        {
            (void)user;
            (void)size;
            return from + offset;
        }
        static int write_object(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size)
        {
            (void)user;
            memcpy(to + offset, bytes, size);
            return 0;
        }
        static void move(dx_bulk *a, int on, dx_bulk *b, int at)  // a socket, in a program
        {
            dx_bulk_piece piece;
            size_t size = 0;
            while (dx_bulk_next(a, on, 0, &piece) == 1) {
                memcpy(wire + size, piece.head, piece.head_size);
                size += piece.head_size;
                if (piece.data_size) memcpy(wire + size, piece.data, piece.data_size);
                size += piece.data_size;
            }
            (void)dx_bulk_feed(b, at, wire, size, 0);
        }
        int main(void)
        {
            dx_bulk s, r;
            dx_bulk_object object;
            dx_bulk_desc desc;
            int i, on, at;
            memset(&object, 0, sizeof object);
            object.size = SIZE;
            memset(&desc, 0, sizeof desc);
            desc.memory = sender_memory;
            desc.memory_size = sizeof sender_memory;
            desc.object = &object;
            desc.read = read_object;
            if (dx_bulk_init(&s, &desc)) return 1;
            memset(&desc, 0, sizeof desc);
            desc.memory = receiver_memory;
            desc.memory_size = sizeof receiver_memory;
            desc.write = write_object;
            if (dx_bulk_init(&r, &desc)) return 1;
            on = dx_bulk_open(&s, 0);
            at = dx_bulk_open(&r, 0);
            for (i = 0; i < 4 && r.state != DX_BULK_WHOLE; i++) {
                move(&s, on, &r, at);
                move(&r, at, &s, on);
            }
            if (dx_bulk_verify(&r, memcmp(from, to, SIZE) == 0)) return 1;
            move(&r, at, &s, on);
            return s.state != DX_BULK_DONE;
        }

    CONTENTS (search >>)  config  errors  object  transfer  connections  pieces  end  control
                          platform  shared  names  state  setup  output  input  stored state
                          controller  license

    GUARANTEES  The object arrives whole and verified, or the transfer fails: chunks may come in any
                order, twice, or be lost with their connection. write() gets each chunk once. No
                allocation, globals or recursion. Every frame of the peer is checked, and ends its
                connection, not the transfer, when it breaks a rule.
    LIMITS      256 connections; 2^31 - 1 chunks of up to 1 MiB.
    SIZE        code: x86-64 10,702, Cortex-M0 9,207; objects: dx_bulk 464, plus
                dx_bulk_memory_size()
    THREADS     One at a time for each transfer; transfers share nothing.
    CONFIG      DX_BULK_STATIC, DX_BULK_API, DX_BULK_ASSERT(c), DX_BULK_MEMCPY, DX_BULK_MEMSET,
                DX_BULK_MEMCMP; DX_BULK_CRC32C: a faster (crc, bytes, size), that of dx_hbtp.h where
                it has one
    ERRORS      dx_bulk_error: 0 = ok, negative = reason, by dx_hbtp.h's values
    OWNERSHIP   The caller owns every byte. Data returned by read() is valid until the next call.
    FORMAT      docs/formats/hbtp.md, section 10, normative
*/
#ifndef DX_BULK_H
#define DX_BULK_H

#define DX_BULK_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_HBTP_H
  #include "../dx_hbtp.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_BULK_API
  #ifdef DX_BULK_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_BULK_API static __attribute__((unused))
    #else
      #define DX_BULK_API static
    #endif
  #else
    #define DX_BULK_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
/* The values are those of dx_hbtp_error, some of which are passed on. */
#define DX_BULK_ERRORS(X)                                                                       \
    X(0, OK)                                                                                    \
    X(-1, EINVAL)      /* an argument breaks its documented contract; no such connection */     \
    X(-2, ENOMEM)      /* the memory you gave is too small */                                   \
    X(-3, ENOSPACE)    /* the stored state does not fit */                                      \
    X(-4, ETOOBIG)     /* above a limit that you set */                                         \
    X(-5, ECORRUPT)    /* the peer broke a rule, or a checksum or the object's hash is wrong */ \
    X(-6, EAGAIN)      /* connections_max are open; not healthy */                              \
    X(-7, ESYS)        /* read() or write() failed */                                           \
    X(-8, ENOTSUP)     /* the object was refused by accept() */                                 \
    X(-9, ENOTFOUND)   /* not of this transfer; no object is known */                           \
    X(-10, ECANCELED)  /* given up here; the connection is retired */                           \
    X(-11, ETRUNCATED) /* a frame or a stored state ends too early */                           \
    X(-12, EVERSION)   /* a format version that this build does not know */                     \
    X(-33, ETIMEDOUT)  /* silent for too long, or failed too often */                           \
    X(-34, EREMOTE)    /* the other side gave up */

typedef enum dx_bulk_error {
#define DX_BULK_P_ERROR_IS(value, constant) DX_BULK_##constant = value,
    DX_BULK_ERRORS(DX_BULK_P_ERROR_IS)
} dx_bulk_error;

/* "DX_BULK_ECORRUPT" and so on; "unknown error" for anything else. */
DX_BULK_API const char *dx_bulk_error_name(int error);

/* >>object ------------------------------------------------------------- */
/* Both sides do the same for a connection, whichever opened it:

       connected               number = dx_bulk_open(); each side counts its own
       bytes arrived           dx_bulk_feed(); keep the unconsumed bytes, append to them
       then, and if writable   dx_bulk_next() until 0: pieces to be sent, each whole
       dx_bulk_wake()          the same for every connection
       connection lost         dx_bulk_drop(): its chunks in flight go to other connections */
enum { /* opcodes of the control frames, Extended frames of dx_hbtp.h */
    DX_BULK_OP_OFFER = 0x0150,
    DX_BULK_OP_HAVE  = 0x0151,
    DX_BULK_OP_END   = 0x0152
};

enum {
    DX_BULK_CONNECTIONS_MAX = 256,
    DX_BULK_CHUNK_SIZE_MAX  = 1048576,
    DX_BULK_HEAD_SIZE       = 96, /* max bytes before the data of a piece */
    DX_BULK_PLACE_SIZE      = 24, /* before the data of a chunk */
    DX_BULK_STATE_SIZE      = 60, /* of a stored state, plus one bit per chunk */
    DX_BULK_WRONG_HASH      = 422 /* status: the object does not have the announced hash */
};

typedef enum dx_bulk_state {
    DX_BULK_WAITING, /* for the offer, for the answer to it */
    DX_BULK_RUNNING,
    DX_BULK_WHOLE,   /* all chunks have arrived; the receiver calls dx_bulk_verify() */
    DX_BULK_DONE,    /* the receiver has verified the object, and the sender knows it */
    DX_BULK_FAILED   /* final; `error` says why */
} dx_bulk_state;

typedef struct dx_bulk_object {
    uint64_t size;       /* bytes; may be 0 */
    uint32_t chunk_size; /* bytes, up to 1 MiB; 0: 256 KiB, under 64 MiB less, down to 16 KiB */
    uint32_t transfer;   /* number unique among the sender's unfinished transfers */
    uint8_t  hash[32];   /* of the whole object; which hash: the program's. All 0: none */
} dx_bulk_object;

/* >>transfer ----------------------------------------------------------- */
enum { DX_BULK_LATENCIES = 15 };

typedef struct dx_bulk_metrics {
    uint64_t bytes;            /* data sent or received, repeats included */
    uint64_t bytes_done;       /* each byte once */
    uint64_t begun_ns;         /* first connection: bytes_done since then is the throughput */
    uint64_t in_flight;        /* sender: chunks on their way, of window * connections */
    uint64_t chunks_resent;
    uint64_t chunks_lost;      /* with their connections */
    uint64_t chunks_duplicate;
    uint64_t bad_checksums;
    uint64_t bad_frames;
    uint64_t timeouts;
    uint64_t latency[DX_BULK_LATENCIES]; /* chunks acknowledged within 0.1 ms * 2^k; the last: and
                                            all others */
    uint32_t opened;           /* connections in all */
    uint32_t dropped;          /* lost or closed */
    uint32_t connections;      /* now */
} dx_bulk_metrics;

typedef struct dx_bulk_desc { /* zero = the default given after each field */
    void       *memory;          /* dx_bulk_memory_size() bytes, aligned to 8; borrowed */
    size_t      memory_size;
    void       *user;            /* for the functions */
    uint32_t    connections_max; /* 32; up to 256 */
    uint64_t    timeout_ns;      /* silence after which a connection that owes us something is given
                                    up; 60 s. After a sixth of it a sender sends a Ping */
    /* Sender: the object, copied; its bytes, valid until the next call (NULL: FAILED, ESYS) */
    const dx_bulk_object *object;
    const void *(*read)(void *user, uint64_t offset, uint32_t size);
    uint32_t    window;          /* max chunks in flight on a connection; 64 */
    uint64_t    rate;            /* bytes a second, all connections together; unlimited */
    uint64_t    burst_ns;        /* unused time that a burst may make up for; 20 ms */
    bool        patient;         /* false: sends a chunk on each connection before the receiver
                                    reports what it has: that saves a round trip, and costs these
                                    chunks where it has them. true is better where it may */
    /* Receiver: store a checked chunk, each once (not 0: FAILED, ESYS); take this object? 0: yes,
       400..599: no, with this status (NULL: all) */
    int       (*write)(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size);
    int       (*accept)(void *user, const dx_bulk_object *object);
    uint32_t    chunks_max;      /* of an object; 65,536 */
} dx_bulk_desc;

typedef struct dx_bulk_piece { /* head, then data, both whole, before the next piece */
    uint8_t     head[DX_BULK_HEAD_SIZE];
    uint32_t    head_size;
    uint32_t    data_size;
    const void *data; /* from read() */
} dx_bulk_piece;

typedef struct dx_bulk { /* caller-allocated; without "_": to be read */
    dx_bulk_state           state;
    int                     error;      /* FAILED: EREMOTE (the other side gave up), ECANCELED (we
                                           did), ECORRUPT (wrong hash), ESYS */
    uint16_t                status;     /* as received or sent */
    bool                    known;      /* `object` is: sent, offered, or from a stored state */
    dx_bulk_object          object;
    uint64_t                front;      /* bytes of it that arrived in order, without a gap */
    dx_bulk_metrics         metrics;
    dx_bulk_desc            desc_;      /* with the defaults filled in */
    struct dx_bulk_p_link  *links_;     /* connections_max of them */
    struct dx_bulk_p_chunk *chunks_;    /* sender, count_ of them; receiver: NULL */
    uint8_t                *bitmap_;    /* receiver, a bit a chunk, 1: it is there; sender: NULL */
    uint64_t                paid_ns_;   /* rate: time until which everything sent is paid for */
    uint64_t                stop_ns_;   /* given up: deadline; UINT64_MAX: not given up */
    uint64_t                looked_ns_; /* time of the last scan of all chunks */
    uint32_t                count_;     /* chunks of the object; not known: chunks_max */
    uint32_t                done_;      /* chunks that have arrived */
    uint32_t                next_;      /* sender: no chunk before this one needs to be sent */
    uint32_t                first_;     /* no chunk before this one is missing */
} dx_bulk;

/* 40 bytes a connection; 8 bytes (sender) or a bit (receiver: of chunks_max) a chunk. 0: EINVAL. */
DX_BULK_API size_t dx_bulk_memory_size(const dx_bulk_desc *desc);
/* EINVAL, ENOMEM. */
DX_BULK_API int dx_bulk_init(dx_bulk *b, const dx_bulk_desc *desc);

/* >>connections -------------------------------------------------------- */
/* The number of a new connection, the lowest that is free. EAGAIN: connections_max are open. */
DX_BULK_API int dx_bulk_open(dx_bulk *b, uint64_t now_ns);
/* EINVAL, here and below: no such connection. */
DX_BULK_API int dx_bulk_drop(dx_bulk *b, int connection);
/* Sender: no new chunks for this connection. Without chunks in flight, next() then
   returns ECANCELED. */
DX_BULK_API int dx_bulk_retire(dx_bulk *b, int connection);

/* >>pieces ------------------------------------------------------------- */
/* Pass received bytes, from the first byte that was not consumed. Returns the bytes consumed, whole
   frames (a receiver's buffer holds chunk_size + 28 bytes, a sender's 96), or an error of this
   connection: send the pieces from next(), close it, drop it. ECORRUPT, ETRUNCATED, EVERSION,
   ETOOBIG, ENOTSUP (refused), ENOTFOUND (not a frame of this transfer), ECANCELED (FAILED),
   ESYS. */
DX_BULK_API int64_t dx_bulk_feed(dx_bulk *b, int connection, const void *bytes, size_t size,
                                 uint64_t now_ns);
/* The same for a single frame, Extended resolved, if several transfers, or a session,
   share a connection. */
DX_BULK_API int dx_bulk_frame(dx_bulk *b, int connection, const dx_hbtp_frame *frame,
                              uint64_t now_ns);
/* For receivers that receive data directly into place. `head`: the first PLACE_SIZE bytes of a
   frame. 1: it has *size bytes for *offset. Receive them there, and call again before each receive:
   0 means that they arrived another way, so the rest goes elsewhere. When all are there, call
   dx_bulk_placed() with `data`, the place of the first: it is dx_bulk_feed() without write(). 0 on
   the first call: a frame for dx_bulk_feed(). */
DX_BULK_API int dx_bulk_place(dx_bulk *b, int connection, const uint8_t *head, uint64_t now_ns,
                              uint64_t *offset, uint32_t *size);
DX_BULK_API int dx_bulk_placed(dx_bulk *b, int connection, const uint8_t *head,
                               const uint8_t *data, uint64_t now_ns);
/* 1: send *piece; 0: nothing now; ETIMEDOUT, ECANCELED (retired): close and drop it. */
DX_BULK_API int dx_bulk_next(dx_bulk *b, int connection, uint64_t now_ns, dx_bulk_piece *piece);
/* Deadline for calling next() for all connections again. UINT64_MAX: the transfer is over. */
DX_BULK_API uint64_t dx_bulk_wake(const dx_bulk *b, uint64_t now_ns);

/* >>end ---------------------------------------------------------------- */
/* Is the transfer healthy: are half of the `wanted` connections open, and half of the open ones
   healthy? One that owes us something and was silent for a third of timeout_ns is not. *healthy:
   how many are. EAGAIN: no. Does not send or read anything. */
DX_BULK_API int dx_bulk_health(const dx_bulk *b, uint32_t wanted, uint64_t now_ns,
                               uint32_t *healthy);
/* Give up with a status (400..599): no new chunks; as soon as no chunk is in flight, at the latest
   after timeout_ns, FAILED: ECANCELED here, EREMOTE there. ECANCELED: it is over already. */
DX_BULK_API int dx_bulk_stop(dx_bulk *b, uint16_t status, uint64_t timeout_ns,
                             uint64_t now_ns);
/* Receiver, WHOLE: does the stored object have the hash of `object`? true: DONE, false: FAILED. */
DX_BULK_API int dx_bulk_verify(dx_bulk *b, bool equal);
/* Receiver: the state of the transfer, STATE_SIZE + (chunks + 7) / 8 bytes; make the object's bytes
   durable before it. Returns its size; ENOSPACE; ENOTFOUND: no object is known. Loaded into a fresh
   receiver, it resumes if the same object is offered (size, chunk size, a hash that is not 0); any
   other object starts from nothing. ECORRUPT, ETRUNCATED, EVERSION, ETOOBIG. */
DX_BULK_API int64_t dx_bulk_save(const dx_bulk *b, void *bytes, size_t capacity);
DX_BULK_API int dx_bulk_load(dx_bulk *b, const void *bytes, size_t size);
/* Receiver, after dx_bulk_load() and before the first connection: the storage has lost the chunk at
   this offset, so it is fetched again. ENOTFOUND: it was not there. EINVAL: too late. */
DX_BULK_API int dx_bulk_forget(dx_bulk *b, uint64_t offset);

/* >>control ------------------------------------------------------------ */
/* The best number of connections: tries twice as many, later half as many, and keeps a number that
   moves over 5 % more (four times what the rate varies by itself, if that is more) or, with half
   as many, at most 2 % less. When the rate changes by a third by itself, the link has changed, and
   the search begins again. For the side that opens connections. The loss and the queue of the
   path, which the kernel measures, shorten the search.
   Loss without a queue, now and lately: each connection is the limit, so twice as many are opened
   without a trial, as long as that gains. (The queue of a link that others use, too, comes and
   goes.) Neither, and a rate that still rises: windows still grow, so nothing is tried yet.
   A lasting queue: the link is full, so trials are rare.
   With `yields`, others that use the link get more of it: a lasting queue means that more
   connections would only take from them. So a quarter fewer are tried, again and again, and kept
   if the queue remains and the rate falls by less than two thirds of that; when the queue goes,
   some come back. Where the rate is in proportion to the number, each connection has a limit and a
   queue of its own. For short round trips: over long ones, few connections take long to fill a
   link again after a loss. */
typedef struct dx_bulk_control { /* zero it and set these; zero = the default given after it */
    uint32_t count_min;   /* 16 */
    uint32_t count_max;   /* 256 */
    uint32_t count;       /* target number of connections; at first 32 */
    uint32_t grow_percent; /* a trial with more: of the kept number; 200 */
    uint64_t interval_ns; /* several round trips; 1 s */
    uint32_t loss_ppm;    /* of the path now: segments lost of a million; */
    uint32_t queue_percent; /* how much longer than the shortest the round trip is */
    bool     has_path;    /* both are known */
    bool     bears_loss;  /* the congestion control does not slow down for loss, as BBR */
    bool     yields;      /* to others on a full link; not with bears_loss */
    uint64_t retry_deadline_ns;    /* do not connect before this time of now_ns */
    uint32_t failures;    /* in a row */
    uint64_t due_ns_;     /* when this interval ends; 0: the first has not begun */
    uint64_t from_ns_;    /* when it began */
    uint64_t bytes_;      /* bytes_done then */
    uint64_t rate_;       /* bytes a second with kept_ connections, averaged, */
    uint64_t varies_;     /* and how far an interval is from that, averaged */
    uint32_t kept_;       /* best number until now; count differs from it during a trial */
    uint32_t pause_;      /* intervals before the next trial */
    uint32_t patience_;   /* length of the next pause: doubled by each failed trial */
    uint32_t strange_;    /* intervals in a row whose rate is far from rate_ */
    bool     fewer_;      /* the next trial is with fewer, not with more */
    uint32_t full_;       /* intervals in a row with a queue */
    uint32_t queue_;      /* queue_percent, averaged, */
    uint32_t longest_;    /* and the longest one; it is forgotten slowly */
    bool     shared_;     /* the link stays full: as few connections as keep it so */
    uint32_t lost_[2];    /* loss_ppm of the last two intervals; UINT32_MAX: there was none */
    uint32_t queued_;     /* intervals until the last queue is forgotten */
    bool     grown_;      /* since the last interval, without a trial */
    bool     settling_;   /* the first interval after a change does not count */
} dx_bulk_control;

/* Call often, with metrics.bytes_done. Returns count: open more, or retire the slowest. */
DX_BULK_API uint32_t dx_bulk_control_update(dx_bulk_control *c, uint64_t bytes_done,
                                            uint64_t now_ns);
/* Report that a connection was opened, or failed or broke: then wait 100 ms, twice as long each
   time, 5 s at most. ETIMEDOUT: three failures in a row, give up. */
DX_BULK_API int dx_bulk_control_event(dx_bulk_control *c, bool opened, uint64_t now_ns);
/* A first guess: Mbit/s / (ms * 0.1), within the limits; count_min if either is unknown (0). */
DX_BULK_API uint32_t dx_bulk_guess(uint64_t bits_per_second, uint64_t latency_ns,
                                   uint32_t count_min, uint32_t count_max);

#ifdef __cplusplus
}
#endif
#endif /* DX_BULK_H */

#if (defined(DX_BULK_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_BULK_IMPLEMENTED)
#define DX_BULK_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_BULK_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_BULK_ASSERT(c) assert(c)
  #else
    #define DX_BULK_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_BULK_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_BULK_P_MEM(name) name
#endif
#ifndef DX_BULK_MEMCPY
  #define DX_BULK_MEMCPY DX_BULK_P_MEM(memcpy)
#endif
#ifndef DX_BULK_MEMSET
  #define DX_BULK_MEMSET DX_BULK_P_MEM(memset)
#endif
#ifndef DX_BULK_MEMCMP
  #define DX_BULK_MEMCMP DX_BULK_P_MEM(memcmp)
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_bulk_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_bulk_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_bulk_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_bulk_p_load32(p) | (uint64_t)dx_bulk_p_load32(p + 4) << 32;
}

static void dx_bulk_p_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static void dx_bulk_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_bulk_p_store64(uint8_t *p, uint64_t v)
{
    dx_bulk_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_bulk_p_store32(p + 4, (uint32_t)(v >> 32));
}

/* CRC-32C (RFC 3720 appendix B.4), a nibble at a time, as the table then takes 64 bytes. */
#if !defined(DX_BULK_CRC32C) && defined(DX_HBTP_CRC32C)
  #define DX_BULK_CRC32C DX_HBTP_CRC32C
#endif
#ifndef DX_BULK_CRC32C
#define DX_BULK_CRC32C dx_bulk_p_crc32c
static uint32_t dx_bulk_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
        0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
        0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};
    crc = ~crc;
    while (size--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
#endif

/* >>names -------------------------------------------------------------- */
#define DX_BULK_P_ERROR_NAME(value, constant) \
    case value: return "DX_BULK_" #constant;

DX_BULK_API const char *dx_bulk_error_name(int error)
{
    switch (error) {
        DX_BULK_ERRORS(DX_BULK_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>state ---------------------------------------------------------------
   The caller's memory holds the connections, followed by the state of each chunk:

       sender      | link | link | ... | chunk | chunk | chunk | ...      40 and 8 bytes each
       receiver    | link | link | ... | bit bit bit bit ...

   Two marks keep most searches short. Chunks are sent in order and arrive nearly so:

       0          first_                    next_                     count_
       | arrived  | some arrived, all sent  | not sent (or to be sent again) |

   All chunks before first_ have arrived; none before next_ needs to be sent. When a connection is
   lost, next_ moves back to its first chunk in flight. */
#define DX_BULK_P_SECOND 1000000000u /* ns */

enum {
    DX_BULK_P_CHUNK_SIZE      = 262144, /* if not given ... */
    DX_BULK_P_CHUNK_SIZE_MIN  = 16384,  /* ... halved down to this ... */
    DX_BULK_P_CHUNKS_WANTED   = 256,    /* ... until an object has this many */
    DX_BULK_P_SENT_SHIFT      = 14,     /* units of 2^14 ns: 16 us, 19 hours in 32 bits */
    DX_BULK_P_LATENCY_FIRST   = 100000, /* ns of the first bucket */
    DX_BULK_P_CHUNKS_LIMIT    = 0x7fffffff,
    DX_BULK_P_HAVE_BYTES      = 64,     /* max bytes of the bitmap in one Have */
    DX_BULK_P_DUPLICATES_FREE = 4096    /* repeated chunks allowed, plus two of each */
};

struct dx_bulk_p_chunk { /* of a sender */
    uint32_t sent;       /* when, in units of 2^14 ns */
    uint16_t owner;      /* 1 + the connection on which it is in flight; 0: none */
    bool     arrived;
    bool     again;      /* it was sent before */
};

struct dx_bulk_p_link {  /* a connection */
    uint64_t heard_ns;   /* when anything last arrived, or waiting began */
    uint64_t took_ns;    /* sender: average time from sending a chunk to its acknowledgement */
    uint32_t flying;     /* sender: chunks in flight */
    uint32_t from;       /* receiver: chunks from ... */
    uint32_t to;         /* ... to must be reported */
    uint32_t placing;    /* receiver: 1 + the chunk that is landing in its place; 0: none */
    uint16_t status;     /* receiver: status with which the offer was refused */
    bool     used;
    bool     offered;    /* the Offer was sent or received */
    bool     accepted;   /* the first Have was received or sent */
    bool     probed;     /* a Ping was sent and not answered; receiver: a Pong is owed */
    bool     retiring;
    bool     closed;     /* the End was sent */
};

/* The number of chunks of an object; its chunk_size is chosen where it is 0. False: too many. */
static bool dx_bulk_p_shape(dx_bulk_object *o, uint32_t *count)
{
    uint64_t chunks;
    if (!o->chunk_size) {
        uint32_t size = DX_BULK_P_CHUNK_SIZE;
        while (size > DX_BULK_P_CHUNK_SIZE_MIN && o->size / size < DX_BULK_P_CHUNKS_WANTED)
            size /= 2;
        o->chunk_size = size;
    }
    chunks = o->size / o->chunk_size + (o->size % o->chunk_size != 0);
    DX_BULK_ASSERT(chunks || !o->size);
    *count = (uint32_t)chunks;
    return chunks <= DX_BULK_P_CHUNKS_LIMIT && o->chunk_size <= DX_BULK_CHUNK_SIZE_MAX;
}

static uint32_t dx_bulk_p_chunk_size(const dx_bulk *b, uint32_t chunk)
{
    const uint64_t left = b->object.size - (uint64_t)chunk * b->object.chunk_size;
    DX_BULK_ASSERT(chunk < b->count_);
    return left < b->object.chunk_size ? (uint32_t)left : b->object.chunk_size;
}

static bool dx_bulk_p_arrived(const dx_bulk *b, uint32_t chunk)
{
    DX_BULK_ASSERT(chunk < b->count_);
    if (b->chunks_) return b->chunks_[chunk].arrived;
    return (b->bitmap_[chunk >> 3] >> (chunk & 7) & 1) != 0;
}

/* Sender: record the latency of an acknowledged chunk, and free its slot on the connection. */
static void dx_bulk_p_account(dx_bulk *b, const struct dx_bulk_p_chunk *c, uint64_t now_ns)
{
    struct dx_bulk_p_link *const l = &b->links_[c->owner - 1];
    const uint32_t now = (uint32_t)(now_ns >> DX_BULK_P_SENT_SHIFT);
    const uint64_t took = (uint64_t)(now - c->sent) << DX_BULK_P_SENT_SHIFT;
    uint64_t limit = DX_BULK_P_LATENCY_FIRST;
    unsigned bucket = 0;
    DX_BULK_ASSERT(l->flying > 0 && b->metrics.in_flight > 0);
    while (bucket < DX_BULK_LATENCIES - 1 && took > limit) {
        limit *= 2;
        bucket++;
    }
    b->metrics.latency[bucket]++;
    l->took_ns = l->took_ns ? l->took_ns - l->took_ns / 4 + took / 4 : took + 1;
    l->flying--;
    b->metrics.in_flight--;
}

/* A chunk has arrived. It counts once. */
static void dx_bulk_p_arrive(dx_bulk *b, uint32_t chunk, uint64_t now_ns)
{
    struct dx_bulk_p_chunk *const c = b->chunks_ ? &b->chunks_[chunk] : NULL;
    const bool counts = b->state < DX_BULK_DONE;
    if (dx_bulk_p_arrived(b, chunk)) return;
    if (c) c->arrived = true;
    else b->bitmap_[chunk >> 3] |= (uint8_t)(1u << (chunk & 7));
    if (counts) b->metrics.bytes_done += dx_bulk_p_chunk_size(b, chunk);
    b->done_++;
    DX_BULK_ASSERT(b->done_ <= b->count_);
    if (b->done_ == b->count_ && b->state == DX_BULK_RUNNING) b->state = DX_BULK_WHOLE;
    for (; b->first_ < b->count_ && dx_bulk_p_arrived(b, b->first_); b->first_++)
        if (counts) b->front += dx_bulk_p_chunk_size(b, b->first_);
    if (c && c->owner) dx_bulk_p_account(b, c, now_ns);
}

/* Fail the transfer, unless it is over already. Returns the error in any case. */
static int dx_bulk_p_fail(dx_bulk *b, int error, uint16_t status)
{
    DX_BULK_ASSERT(error < 0);
    if (b->state >= DX_BULK_DONE) return error;
    b->state = DX_BULK_FAILED;
    b->status = status;
    b->error = error;
    return error;
}

static struct dx_bulk_p_link *dx_bulk_p_find_link(const dx_bulk *b, int connection)
{
    if (!b || connection < 0 || (uint32_t)connection >= b->desc_.connections_max) return NULL;
    return b->links_[connection].used ? &b->links_[connection] : NULL;
}

/* When a connection will have been silent for too long. A receiver always waits for something. */
static uint64_t dx_bulk_p_link_due(const dx_bulk *b, const struct dx_bulk_p_link *l)
{
    const bool waits = b->bitmap_ || l->flying || l->probed || !l->accepted;
    DX_BULK_ASSERT(l->used);
    return b->state < DX_BULK_DONE && waits ? l->heard_ns + b->desc_.timeout_ns : UINT64_MAX;
}

/* >>setup -------------------------------------------------------------- */
/* Fill in the defaults. Returns the size of links and chunk states, 0: a limit is broken. */
static size_t dx_bulk_p_plan(dx_bulk *b, const dx_bulk_desc *desc)
{
    dx_bulk_desc *const d = &b->desc_;
    uint64_t size;
    DX_BULK_MEMSET(b, 0, sizeof *b);
    if (!desc) return 0;
    if (desc->write ? desc->object != NULL : !desc->object || !desc->read) return 0;
    *d = *desc;
    if (!d->connections_max) d->connections_max = 32;
    if (!d->timeout_ns) d->timeout_ns = (uint64_t)60 * DX_BULK_P_SECOND;
    if (!d->window) d->window = 64;
    if (!d->burst_ns) d->burst_ns = DX_BULK_P_SECOND / 50;
    if (!d->chunks_max) d->chunks_max = 65536;
    b->count_ = d->chunks_max;
    if (d->object) b->object = *d->object;
    if (d->connections_max > DX_BULK_CONNECTIONS_MAX || d->chunks_max > DX_BULK_P_CHUNKS_LIMIT)
        return 0;
    if (d->object && !dx_bulk_p_shape(&b->object, &b->count_)) return 0;
    if (d->write) size = ((uint64_t)b->count_ + 7) / 8;
    else size = ((uint64_t)b->count_ + 1) * sizeof(struct dx_bulk_p_chunk);
    size += d->connections_max * sizeof(struct dx_bulk_p_link);
    return size <= SIZE_MAX / 2 ? (size_t)size : 0;
}

DX_BULK_API size_t dx_bulk_memory_size(const dx_bulk_desc *desc)
{
    dx_bulk b;
    return dx_bulk_p_plan(&b, desc);
}

DX_BULK_API int dx_bulk_init(dx_bulk *b, const dx_bulk_desc *desc)
{
    const size_t size = b ? dx_bulk_p_plan(b, desc) : 0;
    if (!size || !desc->memory || ((uintptr_t)desc->memory & 7)) return DX_BULK_EINVAL;
    if (desc->memory_size < size) return DX_BULK_ENOMEM;
    DX_BULK_MEMSET(desc->memory, 0, size);
    b->links_ = (struct dx_bulk_p_link *)desc->memory;
    if (desc->write) b->bitmap_ = (uint8_t *)(b->links_ + b->desc_.connections_max);
    else b->chunks_ = (struct dx_bulk_p_chunk *)(void *)(b->links_ + b->desc_.connections_max);
    b->known = !desc->write;
    b->stop_ns_ = UINT64_MAX;
    DX_BULK_ASSERT((b->bitmap_ != NULL) != (b->chunks_ != NULL));
    return DX_BULK_OK;
}

DX_BULK_API int dx_bulk_open(dx_bulk *b, uint64_t now_ns)
{
    uint32_t i = 0;
    if (!b) return DX_BULK_EINVAL;
    while (i < b->desc_.connections_max && b->links_[i].used) i++;
    if (i == b->desc_.connections_max) return DX_BULK_EAGAIN;
    DX_BULK_MEMSET(&b->links_[i], 0, sizeof *b->links_);
    b->links_[i].used = true;
    b->links_[i].heard_ns = now_ns;
    DX_BULK_ASSERT(b->metrics.connections < b->desc_.connections_max);
    if (!b->metrics.opened) b->metrics.begun_ns = now_ns;
    b->metrics.opened++;
    b->metrics.connections++;
    return (int)i;
}

DX_BULK_API int dx_bulk_drop(dx_bulk *b, int connection)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    uint32_t i;
    if (!l) return DX_BULK_EINVAL;
    for (i = b->first_; l->flying; i++) {
        DX_BULK_ASSERT(i < b->count_ && b->metrics.in_flight > 0);
        if (b->chunks_[i].owner != (unsigned)connection + 1 || b->chunks_[i].arrived) continue;
        b->chunks_[i].owner = 0;
        l->flying--;
        b->metrics.in_flight--;
        b->metrics.chunks_lost++;
        if (i < b->next_) b->next_ = i;
    }
    DX_BULK_ASSERT(b->metrics.connections > 0);
    l->used = false;
    b->metrics.connections--;
    b->metrics.dropped++;
    return DX_BULK_OK;
}

DX_BULK_API int dx_bulk_retire(dx_bulk *b, int connection)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    if (!l || !b->chunks_) return DX_BULK_EINVAL;
    l->retiring = true;
    return DX_BULK_OK;
}

/* >>output --------------------------------------------------------------
   A piece is one frame: a chunk, whose data stay where read() has them, or a control frame.

       FileChunk     | header 8 | transfer 4 | crc 4 | offset 8 |        data: not copied
       Offer, ...    | header 8 | opcode 2 | field 2 | transfer 4 | more ... | crc 4 |
                     |<------------------ head, 96 bytes at most ------------------->|

   The sender picks the best piece for this connection each time: the Offer first, then the next
   unsent chunk, then a chunk that is overdue on another connection, then a Ping. */

/* Must the sender not send a chunk on this connection now? */
static bool dx_bulk_p_must_wait(const dx_bulk *b, const struct dx_bulk_p_link *l, uint64_t now_ns)
{
    if (b->stop_ns_ != UINT64_MAX || b->state > DX_BULK_RUNNING || l->retiring) return true;
    if (b->desc_.rate && b->paid_ns_ > now_ns + b->desc_.burst_ns) return true;
    DX_BULK_ASSERT(b->chunks_ && l->flying <= b->desc_.window);
    /* Before the receiver has said what it has, one chunk at most: it may have all of them. */
    if (b->state == DX_BULK_WAITING) return b->desc_.patient || l->flying;
    return l->flying >= b->desc_.window;
}

/* The oldest chunk on its way elsewhere, if it has taken twice as long already as it would here. */
static uint32_t dx_bulk_p_find_overdue(const dx_bulk *b, const struct dx_bulk_p_link *l,
                                       uint64_t now_ns)
{
    const uint32_t now = (uint32_t)(now_ns >> DX_BULK_P_SENT_SHIFT);
    uint32_t oldest = (uint32_t)(l->took_ns >> (DX_BULK_P_SENT_SHIFT - 1));
    uint32_t found = b->count_;
    uint32_t i;
    for (i = b->first_; i < b->count_; i++) {
        const struct dx_bulk_p_chunk *const c = &b->chunks_[i];
        DX_BULK_ASSERT(c->arrived || c->owner);
        if (c->arrived || &b->links_[c->owner - 1] == l || now - c->sent <= oldest) continue;
        oldest = now - c->sent;
        found = i;
    }
    return found;
}

/* The chunk to be sent next on this connection; count_: none. */
static uint32_t dx_bulk_p_choose(dx_bulk *b, const struct dx_bulk_p_link *l, uint64_t now_ns)
{
    const uint64_t looks_every_ns = 2000000;
    if (dx_bulk_p_must_wait(b, l, now_ns)) return b->count_;
    while (b->next_ < b->count_ && (b->chunks_[b->next_].arrived || b->chunks_[b->next_].owner))
        b->next_++;
    if (b->next_ < b->count_) return b->next_;
    /* The rest looks at all chunks, so not too often. */
    if (!l->took_ns || now_ns < b->looked_ns_ + looks_every_ns) return b->count_;
    b->looked_ns_ = now_ns;
    DX_BULK_ASSERT(b->next_ == b->count_);
    return dx_bulk_p_find_overdue(b, l, now_ns);
}

/* Note that a chunk goes out here, and no longer anywhere else. */
static void dx_bulk_p_note_sent(dx_bulk *b, struct dx_bulk_p_link *l, struct dx_bulk_p_chunk *c,
                                uint32_t size, uint64_t now_ns)
{
    DX_BULK_ASSERT(!c->arrived && (!c->owner || b->links_[c->owner - 1].flying > 0));
    if (c->owner) b->links_[c->owner - 1].flying--;
    else b->metrics.in_flight++;
    if (c->again) b->metrics.chunks_resent++;
    c->again = true;
    c->owner = (uint16_t)(l - b->links_ + 1);
    c->sent = (uint32_t)(now_ns >> DX_BULK_P_SENT_SHIFT);
    l->flying++;
    b->metrics.bytes += size;
    if (b->paid_ns_ < now_ns) b->paid_ns_ = now_ns;
    if (b->desc_.rate) b->paid_ns_ += (uint64_t)size * DX_BULK_P_SECOND / b->desc_.rate + 1;
}

/* False: its bytes cannot be read, and the transfer has failed. */
static bool dx_bulk_p_send_chunk(dx_bulk *b, struct dx_bulk_p_link *l, uint32_t chunk,
                                 uint64_t now_ns, dx_bulk_piece *piece)
{
    const uint64_t offset = (uint64_t)chunk * b->object.chunk_size;
    const uint32_t size = dx_bulk_p_chunk_size(b, chunk);
    piece->head_size = DX_HBTP_HEADER_SIZE + DX_HBTP_FILE_CHUNK_PREFIX;
    piece->data_size = size;
    piece->data = b->desc_.read(b->desc_.user, offset, size);
    if (!piece->data) {
        (void)dx_bulk_p_fail(b, DX_BULK_ESYS, DX_HBTP_STATUS_INTERNAL);
        return false;
    }
    DX_BULK_MEMSET(piece->head, 0, piece->head_size);
    piece->head[0] = DX_HBTP_OP_FILE_CHUNK;
    if (chunk + 1 == b->count_) piece->head[1] = DX_HBTP_FLAG_FINAL;
    dx_bulk_p_store32(piece->head + 4, DX_HBTP_FILE_CHUNK_PREFIX + size);
    dx_bulk_p_store32(piece->head + 8, b->object.transfer);
    dx_bulk_p_store32(piece->head + 12, DX_BULK_CRC32C(0, (const uint8_t *)piece->data, size));
    dx_bulk_p_store64(piece->head + 16, offset);
    if (dx_bulk_p_link_due(b, l) == UINT64_MAX) l->heard_ns = now_ns; /* waits from now on */
    dx_bulk_p_note_sent(b, l, &b->chunks_[chunk], size, now_ns);
    return true;
}

/* A piece that is one frame with a checksum. Returns 1, for dx_bulk_next(). */
static int dx_bulk_p_put_frame(dx_bulk_piece *piece, uint16_t opcode, const uint8_t *payload,
                               size_t size)
{
    dx_hbtp_out out;
    size_t written = 0;
    int error;
    (void)dx_hbtp_out_init(&out, piece->head, sizeof piece->head);
    error = dx_hbtp_write_frame(&out, opcode, DX_HBTP_FLAG_HAS_CHECKSUM, 0, payload, size);
    DX_BULK_ASSERT(!error);
    (void)error;
    (void)dx_hbtp_out_data(&out, &written);
    DX_BULK_ASSERT(written <= sizeof piece->head);
    piece->head_size = (uint32_t)written;
    piece->data_size = 0;
    return 1;
}

/* A control frame: field, transfer, and `size` bytes more. */
static int dx_bulk_p_control(const dx_bulk *b, dx_bulk_piece *piece, uint16_t opcode,
                             uint16_t field, const uint8_t *more, size_t size)
{
    uint8_t payload[6 + 4 + DX_BULK_P_HAVE_BYTES];
    DX_BULK_ASSERT(size <= sizeof payload - 6);
    dx_bulk_p_store16(payload, field);
    dx_bulk_p_store32(payload + 2, b->object.transfer);
    if (size) DX_BULK_MEMCPY(payload + 6, more, size);
    return dx_bulk_p_put_frame(piece, opcode, payload, 6 + size);
}

static int dx_bulk_p_send_offer(const dx_bulk *b, dx_bulk_piece *piece)
{
    uint8_t offer[48];
    dx_bulk_p_store32(offer, b->object.chunk_size);
    dx_bulk_p_store32(offer + 4, 0);
    dx_bulk_p_store64(offer + 8, b->object.size);
    DX_BULK_MEMCPY(offer + 16, b->object.hash, sizeof b->object.hash);
    return dx_bulk_p_control(b, piece, DX_BULK_OP_OFFER, 1, offer, sizeof offer);
}

/* The sender's next piece. */
static int dx_bulk_p_send(dx_bulk *b, struct dx_bulk_p_link *l, uint64_t now_ns,
                          dx_bulk_piece *piece)
{
    uint32_t chunk;
    if (b->stop_ns_ != UINT64_MAX && (!b->metrics.in_flight || now_ns >= b->stop_ns_))
        (void)dx_bulk_p_fail(b, DX_BULK_ECANCELED, b->status);
    if (b->state < DX_BULK_DONE && !l->offered) {
        l->offered = true;
        return dx_bulk_p_send_offer(b, piece);
    }
    chunk = dx_bulk_p_choose(b, l, now_ns);
    if (chunk < b->count_ && dx_bulk_p_send_chunk(b, l, chunk, now_ns, piece)) return 1;
    if (b->state == DX_BULK_FAILED && l->offered && !l->closed) {
        l->closed = true;
        return dx_bulk_p_control(b, piece, DX_BULK_OP_END, b->status, NULL, 0);
    }
    if (b->state >= DX_BULK_DONE) return 0;
    if (l->retiring && !l->flying) return DX_BULK_ECANCELED;
    if (l->probed || now_ns - l->heard_ns < b->desc_.timeout_ns / 6) return 0;
    if (dx_bulk_p_link_due(b, l) == UINT64_MAX) l->heard_ns = now_ns;
    l->probed = true;
    return dx_bulk_p_put_frame(piece, DX_HBTP_OP_PING, NULL, 0);
}

/* Report as many chunks as one Have holds. */
static int dx_bulk_p_send_have(dx_bulk *b, struct dx_bulk_p_link *l, dx_bulk_piece *piece)
{
    uint8_t body[4 + DX_BULK_P_HAVE_BYTES];
    uint32_t size;
    DX_BULK_ASSERT(b->bitmap_ && l->to <= b->count_);
    l->from &= ~7u; /* whole bytes of the bitmap */
    size = (l->to - l->from + 7) / 8;
    if (size > DX_BULK_P_HAVE_BYTES) size = DX_BULK_P_HAVE_BYTES;
    dx_bulk_p_store32(body, l->from);
    if (size) DX_BULK_MEMCPY(body + 4, b->bitmap_ + l->from / 8, size);
    l->from += size * 8;
    l->accepted = true;
    return dx_bulk_p_control(b, piece, DX_BULK_OP_HAVE, 0, body, 4 + size);
}

/* The receiver's next piece. */
static int dx_bulk_p_answer(dx_bulk *b, struct dx_bulk_p_link *l, dx_bulk_piece *piece)
{
    DX_BULK_ASSERT(b->bitmap_ && l->used);
    if (l->offered && (l->from < l->to || !l->accepted)) return dx_bulk_p_send_have(b, l, piece);
    if (l->probed) {
        l->probed = false;
        return dx_bulk_p_put_frame(piece, DX_HBTP_OP_PONG, NULL, 0);
    }
    if (l->closed) return 0;
    if (!l->status && (b->state < DX_BULK_DONE || !l->offered)) return 0;
    l->closed = true;
    return dx_bulk_p_control(b, piece, DX_BULK_OP_END, l->status ? l->status : b->status, NULL, 0);
}

DX_BULK_API int dx_bulk_next(dx_bulk *b, int connection, uint64_t now_ns, dx_bulk_piece *piece)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    if (!l || !piece) return DX_BULK_EINVAL;
    if (now_ns >= dx_bulk_p_link_due(b, l)) {
        b->metrics.timeouts++;
        return DX_BULK_ETIMEDOUT;
    }
    return b->chunks_ ? dx_bulk_p_send(b, l, now_ns, piece) : dx_bulk_p_answer(b, l, piece);
}

DX_BULK_API uint64_t dx_bulk_wake(const dx_bulk *b, uint64_t now_ns)
{
    const uint64_t overdue_every_ns = 5000000; /* see dx_bulk_p_find_overdue() */
    uint64_t at = now_ns + b->desc_.timeout_ns / 60;
    if (b->state >= DX_BULK_DONE) return UINT64_MAX;
    if (b->chunks_ && b->next_ == b->count_) at = now_ns + overdue_every_ns;
    else if (b->desc_.rate && b->paid_ns_ > now_ns + b->desc_.burst_ns)
        at = b->paid_ns_ - b->desc_.burst_ns;
    else if (b->desc_.rate && b->paid_ns_ > now_ns) /* a connection that had to wait just before */
        at = now_ns + b->desc_.burst_ns / 4;
    return at < b->stop_ns_ ? at : b->stop_ns_;
}

DX_BULK_API int dx_bulk_health(const dx_bulk *b, uint32_t wanted, uint64_t now_ns,
                               uint32_t *healthy)
{
    uint64_t rest; /* of the time for silence, that a healthy connection has left */
    uint32_t open;
    uint32_t i;
    if (!b || !healthy) return DX_BULK_EINVAL;
    rest = b->desc_.timeout_ns - b->desc_.timeout_ns / 3;
    open = b->metrics.connections;
    *healthy = 0;
    for (i = 0; i < b->desc_.connections_max; i++) {
        const struct dx_bulk_p_link *const l = &b->links_[i];
        uint64_t due;
        if (!l->used) continue;
        due = dx_bulk_p_link_due(b, l);
        if (due == UINT64_MAX || (due > now_ns && due - now_ns > rest)) ++*healthy;
    }
    DX_BULK_ASSERT(*healthy <= open);
    if (open < wanted / 2 + wanted % 2 || *healthy < open / 2 + open % 2) return DX_BULK_EAGAIN;
    return DX_BULK_OK;
}

/* >>input ---------------------------------------------------------------
   Both sides read the same frames; what a frame may be depends on the side and on what came first:

       sender     Offer ->           chunks ->                           (End: failed)
       receiver           <- Have            <- Have, Have ...  <- End: whole, or failed

   Whatever breaks a rule ends its connection with an error. Nothing that was checked and stored
   before is lost by that. */
static int dx_bulk_p_on_have(dx_bulk *b, struct dx_bulk_p_link *l, const uint8_t *p, uint32_t size,
                             uint64_t now_ns)
{
    const uint32_t first = dx_bulk_p_load32(p + 6);
    uint32_t i;
    DX_BULK_ASSERT(b->chunks_);
    if (size > DX_BULK_P_HAVE_BYTES || first % 8 || first > b->count_ || dx_bulk_p_load16(p))
        return DX_BULK_ECORRUPT;
    l->accepted = true;
    if (b->state == DX_BULK_WAITING)
        b->state = b->done_ == b->count_ ? DX_BULK_WHOLE : DX_BULK_RUNNING;
    for (i = 0; i < size * 8; i++) {
        if (!(p[10 + i / 8] >> i % 8 & 1)) continue;
        if (i >= b->count_ - first) return DX_BULK_ECORRUPT;
        dx_bulk_p_arrive(b, first + i, now_ns);
    }
    return DX_BULK_OK;
}

/* The fields of an Offer from its chunk size on; a stored state begins with the same. */
static bool dx_bulk_p_read_object(const uint8_t *p, dx_bulk_object *o, uint32_t *count)
{
    o->chunk_size = dx_bulk_p_load32(p);
    o->size = dx_bulk_p_load64(p + 8);
    DX_BULK_MEMCPY(o->hash, p + 16, sizeof o->hash);
    return !dx_bulk_p_load32(p + 4) && o->chunk_size && dx_bulk_p_shape(o, count);
}

static bool dx_bulk_p_has_hash(const dx_bulk_object *o)
{
    unsigned any = 0;
    size_t i;
    for (i = 0; i < sizeof o->hash; i++) any |= o->hash[i];
    return any != 0;
}

/* The first offer: is this object accepted? A stored state of the same object is resumed. */
static int dx_bulk_p_accept(dx_bulk *b, struct dx_bulk_p_link *l, const dx_bulk_object *o,
                            uint32_t count)
{
    int no = 0;
    DX_BULK_ASSERT(b->state == DX_BULK_WAITING && b->bitmap_ && o->chunk_size);
    b->object.transfer = o->transfer; /* that of a stored state may be another */
    if (b->desc_.accept) no = b->desc_.accept(b->desc_.user, o);
    if (!no && count > b->desc_.chunks_max) no = DX_HBTP_STATUS_TOO_BIG;
    l->status = (uint16_t)no;
    if (no) return no == DX_HBTP_STATUS_TOO_BIG ? DX_BULK_ETOOBIG : DX_BULK_ENOTSUP;
    if (!b->known || !dx_bulk_p_has_hash(o) || DX_BULK_MEMCMP(o, &b->object, sizeof *o) != 0) {
        DX_BULK_MEMSET(b->bitmap_, 0, ((size_t)count + 7) / 8);
        b->done_ = 0;
        b->first_ = 0;
        b->front = 0;
        b->metrics.bytes_done = 0;
    }
    b->known = true;
    b->object = *o;
    b->count_ = count;
    DX_BULK_ASSERT(b->done_ <= count && b->first_ <= count);
    b->state = b->done_ == count ? DX_BULK_WHOLE : DX_BULK_RUNNING;
    return DX_BULK_OK;
}

static int dx_bulk_p_on_offer(dx_bulk *b, struct dx_bulk_p_link *l, const uint8_t *p)
{
    dx_bulk_object o;
    uint32_t count = 0;
    int error;
    o.transfer = dx_bulk_p_load32(p + 2);
    if (dx_bulk_p_load16(p) != 1) return DX_BULK_EVERSION;
    if (l->offered && o.transfer != b->object.transfer) return DX_BULK_ENOTFOUND;
    if (l->offered || !dx_bulk_p_read_object(p + 6, &o, &count)) return DX_BULK_ECORRUPT;
    if (b->state == DX_BULK_WAITING) {
        error = dx_bulk_p_accept(b, l, &o, count);
        if (error) return error;
    } else if (DX_BULK_MEMCMP(&o, &b->object, sizeof o) != 0) {
        return DX_BULK_ENOTFOUND;
    }
    l->offered = true;
    l->to = b->done_ ? count : 0;
    return DX_BULK_OK;
}

/* Which chunk must the `size` bytes after this prefix be? */
static int dx_bulk_p_which_chunk(const dx_bulk *b, const struct dx_bulk_p_link *l,
                                 const uint8_t *prefix, uint32_t size, unsigned flags,
                                 uint32_t *chunk)
{
    const unsigned opaque = DX_HBTP_FLAG_COMPRESSED | DX_HBTP_FLAG_ENCRYPTED;
    const uint64_t offset = dx_bulk_p_load64(prefix + 8);
    const bool final = (flags & DX_HBTP_FLAG_FINAL) != 0;
    if (!l->offered || dx_bulk_p_load32(prefix) != b->object.transfer) return DX_BULK_ENOTFOUND;
    if (offset >= b->object.size || offset % b->object.chunk_size) return DX_BULK_ECORRUPT;
    *chunk = (uint32_t)(offset / b->object.chunk_size);
    if (size != dx_bulk_p_chunk_size(b, *chunk) || (flags & opaque)) return DX_BULK_ECORRUPT;
    return (*chunk + 1 == b->count_) == final ? DX_BULK_OK : DX_BULK_ECORRUPT;
}

/* The next Have on this connection covers this chunk, and those in between, too. */
static void dx_bulk_p_report(struct dx_bulk_p_link *l, uint32_t chunk)
{
    if (l->from >= l->to) {
        l->from = chunk;
        l->to = chunk;
    }
    if (l->from > chunk) l->from = chunk;
    if (l->to <= chunk) l->to = chunk + 1;
    DX_BULK_ASSERT(l->from <= chunk && chunk < l->to);
}

/* `payload`: at least the prefix of it; data NULL: they follow, else they lie in their place. */
static int dx_bulk_p_on_chunk(dx_bulk *b, struct dx_bulk_p_link *l, const uint8_t *payload,
                              const uint8_t *data, uint32_t size, unsigned flags)
{
    const uint8_t *const bytes = data ? data : payload + DX_HBTP_FILE_CHUNK_PREFIX;
    const uint32_t placing = l->placing;
    uint32_t chunk = 0;
    int error;
    if (size < DX_HBTP_FILE_CHUNK_PREFIX) return DX_BULK_ETRUNCATED;
    size -= DX_HBTP_FILE_CHUNK_PREFIX;
    error = dx_bulk_p_which_chunk(b, l, payload, size, flags, &chunk);
    if (error) return error;
    l->placing = 0;
    b->metrics.bytes += size;
    dx_bulk_p_report(l, chunk);
    if (dx_bulk_p_arrived(b, chunk)) { /* a sender has no reason to repeat everything twice */
        const uint64_t duplicates_max = DX_BULK_P_DUPLICATES_FREE + 2 * (uint64_t)b->count_;
        b->metrics.chunks_duplicate++;
        return b->metrics.chunks_duplicate > duplicates_max ? DX_BULK_ETOOBIG : DX_BULK_OK;
    }
    if (data && placing != chunk + 1) return DX_BULK_EINVAL;
    if (DX_BULK_CRC32C(0, bytes, size) != dx_bulk_p_load32(payload + 4)) {
        b->metrics.bad_checksums++;
        return DX_BULK_ECORRUPT;
    }
    if (!data && b->desc_.write(b->desc_.user, dx_bulk_p_load64(payload + 8), bytes, size))
        return dx_bulk_p_fail(b, DX_BULK_ESYS, DX_HBTP_STATUS_INTERNAL);
    dx_bulk_p_arrive(b, chunk, 0);
    return DX_BULK_OK;
}

/* Is this chunk landing in its place from another connection? There may be two on their way. */
static bool dx_bulk_p_is_landing(const dx_bulk *b, const struct dx_bulk_p_link *l, uint32_t chunk)
{
    uint32_t i;
    for (i = 0; i < b->desc_.connections_max; i++) {
        const struct dx_bulk_p_link *const other = &b->links_[i];
        if (other->used && other != l && other->placing == chunk + 1) return true;
    }
    return false;
}

DX_BULK_API int dx_bulk_place(dx_bulk *b, int connection, const uint8_t *head, uint64_t now_ns,
                              uint64_t *offset, uint32_t *size)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    dx_hbtp_header h;
    uint32_t chunk = 0;
    if (!l || !b->bitmap_ || !head || !offset || !size) return DX_BULK_EINVAL;
    (void)dx_hbtp_parse_header(head, DX_HBTP_HEADER_SIZE, &h);
    if (b->state == DX_BULK_FAILED || h.opcode != DX_HBTP_OP_FILE_CHUNK) return 0;
    if ((h.flags & DX_HBTP_FLAG_HAS_CHECKSUM) || h.length < DX_HBTP_FILE_CHUNK_PREFIX) return 0;
    *size = h.length - DX_HBTP_FILE_CHUNK_PREFIX;
    *offset = dx_bulk_p_load64(head + 16);
    if (dx_bulk_p_which_chunk(b, l, head + 8, *size, h.flags, &chunk)) return 0;
    if (dx_bulk_p_is_landing(b, l, chunk)) return 0;
    l->heard_ns = now_ns;
    l->placing = dx_bulk_p_arrived(b, chunk) ? 0 : chunk + 1;
    return l->placing != 0;
}

/* The end, said by the other side. Status 0 is the receiver's: it has verified the object. */
static int dx_bulk_p_on_end(dx_bulk *b, const struct dx_bulk_p_link *l, uint16_t status)
{
    if (status) {
        (void)dx_bulk_p_fail(b, DX_BULK_EREMOTE, status);
        return DX_BULK_OK;
    }
    if (b->bitmap_ || !l->accepted) return DX_BULK_ECORRUPT;
    if (b->state >= DX_BULK_DONE) return DX_BULK_OK;
    b->state = DX_BULK_DONE;
    b->front = b->object.size; /* what it said of the last chunks may be lost */
    b->metrics.bytes_done = b->object.size;
    return DX_BULK_OK;
}

/* Offer, Have, End: a field, the transfer, more. */
static int dx_bulk_p_on_control(dx_bulk *b, struct dx_bulk_p_link *l, const dx_hbtp_frame *frame,
                                uint64_t now_ns)
{
    const uint8_t *const p = frame->payload;
    const uint32_t size = frame->payload_size;
    if (frame->flags != DX_HBTP_FLAG_HAS_CHECKSUM) return DX_BULK_ECORRUPT;
    if (size < 6) return DX_BULK_ETRUNCATED;
    if (frame->opcode == DX_BULK_OP_OFFER && size == 54 && b->bitmap_)
        return dx_bulk_p_on_offer(b, l, p);
    if (!l->offered || dx_bulk_p_load32(p + 2) != b->object.transfer) return DX_BULK_ENOTFOUND;
    if (frame->opcode == DX_BULK_OP_HAVE && size >= 10 && b->chunks_)
        return dx_bulk_p_on_have(b, l, p, size - 10, now_ns);
    if (frame->opcode != DX_BULK_OP_END || size != 6) return DX_BULK_ECORRUPT;
    return dx_bulk_p_on_end(b, l, dx_bulk_p_load16(p));
}

DX_BULK_API int dx_bulk_frame(dx_bulk *b, int connection, const dx_hbtp_frame *frame,
                              uint64_t now_ns)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    int error = DX_BULK_OK;
    if (!l || !frame) return DX_BULK_EINVAL;
    if (b->state == DX_BULK_FAILED) return DX_BULK_ECANCELED;
    if (frame->opcode <= DX_HBTP_OP_PONG) /* a receiver owes a Pong, a sender got it */
        l->probed = b->bitmap_ && frame->opcode == DX_HBTP_OP_PING;
    else if (frame->opcode == DX_HBTP_OP_FILE_CHUNK && b->bitmap_)
        error = dx_bulk_p_on_chunk(b, l, frame->payload, NULL, frame->payload_size, frame->flags);
    else if (frame->opcode >= DX_BULK_OP_OFFER && frame->opcode <= DX_BULK_OP_END)
        error = dx_bulk_p_on_control(b, l, frame, now_ns);
    else
        error = DX_BULK_ENOTFOUND;
    if (error) b->metrics.bad_frames++;
    else l->heard_ns = now_ns;
    return error;
}

DX_BULK_API int dx_bulk_placed(dx_bulk *b, int connection, const uint8_t *head,
                               const uint8_t *data, uint64_t now_ns)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    dx_hbtp_header h;
    int error;
    if (!l || !b->bitmap_ || !head || !data) return DX_BULK_EINVAL;
    if (b->state == DX_BULK_FAILED) return DX_BULK_ECANCELED;
    (void)dx_hbtp_parse_header(head, DX_HBTP_HEADER_SIZE, &h);
    l->heard_ns = now_ns;
    error = dx_bulk_p_on_chunk(b, l, head + DX_HBTP_HEADER_SIZE, data, h.length, h.flags);
    if (error) b->metrics.bad_frames++;
    return error;
}

DX_BULK_API int64_t dx_bulk_feed(dx_bulk *b, int connection, const void *bytes, size_t size,
                                 uint64_t now_ns)
{
    struct dx_bulk_p_link *const l = dx_bulk_p_find_link(b, connection);
    const uint8_t *const p = (const uint8_t *)bytes;
    uint32_t payload_max = DX_BULK_HEAD_SIZE;
    dx_hbtp_frame frame;
    int64_t at = 0;
    int64_t got;
    if (!l || (!p && size)) return DX_BULK_EINVAL;
    if (size) l->heard_ns = now_ns;
    if (b->bitmap_)
        payload_max += b->known ? b->object.chunk_size : (uint32_t)DX_BULK_CHUNK_SIZE_MAX;
    while ((got = dx_hbtp_parse(p + at, size - (size_t)at, payload_max, &frame)) > 0) {
        int error = dx_hbtp_resolve_extended(&frame);
        if (!error) error = dx_bulk_frame(b, connection, &frame, now_ns);
        if (error) return error;
        at += got;
    }
    return got ? got : at;
}

/* >>stored state --------------------------------------------------------
       0      4     8            12   16     24     56
       | DXBK | 1   | chunk size | 0  | size | hash | a bit for each chunk | CRC-32C of all | */
enum {
    DX_BULK_P_STATE_MAGIC   = 0x4b425844, /* "DXBK" */
    DX_BULK_P_STATE_VERSION = 1,
    DX_BULK_P_STATE_BITMAP  = 56
};

DX_BULK_API int dx_bulk_stop(dx_bulk *b, uint16_t status, uint64_t timeout_ns, uint64_t now_ns)
{
    if (!b || status < 400 || status > 599) return DX_BULK_EINVAL;
    if (b->state >= DX_BULK_DONE) return DX_BULK_ECANCELED;
    b->status = status;
    b->stop_ns_ = now_ns + timeout_ns;
    if (b->bitmap_ || !timeout_ns) (void)dx_bulk_p_fail(b, DX_BULK_ECANCELED, status);
    return DX_BULK_OK;
}

DX_BULK_API int dx_bulk_verify(dx_bulk *b, bool equal)
{
    if (!b || !b->bitmap_ || b->state != DX_BULK_WHOLE) return DX_BULK_EINVAL;
    if (equal) b->state = DX_BULK_DONE;
    else (void)dx_bulk_p_fail(b, DX_BULK_ECORRUPT, DX_BULK_WRONG_HASH);
    return DX_BULK_OK;
}

DX_BULK_API int64_t dx_bulk_save(const dx_bulk *b, void *bytes, size_t capacity)
{
    uint8_t *const p = (uint8_t *)bytes;
    size_t bitmap_size;
    size_t size;
    if (!b || !b->bitmap_ || !p) return DX_BULK_EINVAL;
    if (!b->known) return DX_BULK_ENOTFOUND;
    bitmap_size = ((size_t)b->count_ + 7) / 8;
    size = DX_BULK_P_STATE_BITMAP + bitmap_size;
    if (capacity < size + 4) return DX_BULK_ENOSPACE;
    dx_bulk_p_store32(p, DX_BULK_P_STATE_MAGIC);
    dx_bulk_p_store32(p + 4, DX_BULK_P_STATE_VERSION);
    dx_bulk_p_store32(p + 8, b->object.chunk_size);
    dx_bulk_p_store32(p + 12, 0);
    dx_bulk_p_store64(p + 16, b->object.size);
    DX_BULK_MEMCPY(p + 24, b->object.hash, sizeof b->object.hash);
    DX_BULK_MEMCPY(p + DX_BULK_P_STATE_BITMAP, b->bitmap_, bitmap_size);
    dx_bulk_p_store32(p + size, DX_BULK_CRC32C(0, p, size));
    return (int64_t)size + 4;
}

DX_BULK_API int dx_bulk_load(dx_bulk *b, const void *bytes, size_t size)
{
    const uint8_t *const p = (const uint8_t *)bytes;
    dx_bulk_object o;
    uint32_t count = 0;
    uint32_t i;
    if (!b || !b->bitmap_ || !p || b->known) return DX_BULK_EINVAL;
    if (size < DX_BULK_STATE_SIZE) return DX_BULK_ETRUNCATED;
    if (dx_bulk_p_load32(p) != DX_BULK_P_STATE_MAGIC) return DX_BULK_ECORRUPT;
    if (dx_bulk_p_load32(p + 4) != DX_BULK_P_STATE_VERSION) return DX_BULK_EVERSION;
    if (DX_BULK_CRC32C(0, p, size - 4) != dx_bulk_p_load32(p + size - 4)) return DX_BULK_ECORRUPT;
    o.transfer = 0;
    if (!dx_bulk_p_read_object(p + 8, &o, &count)) return DX_BULK_ECORRUPT;
    if (size - DX_BULK_STATE_SIZE != ((size_t)count + 7) / 8) return DX_BULK_ECORRUPT;
    if (count % 8 && p[size - 5] >> count % 8) return DX_BULK_ECORRUPT; /* bits of no chunk */
    if (count > b->desc_.chunks_max) return DX_BULK_ETOOBIG;
    b->object = o;
    b->count_ = count;
    b->known = true;
    for (i = 0; i < count; i++)
        if (p[DX_BULK_P_STATE_BITMAP + i / 8] >> i % 8 & 1) dx_bulk_p_arrive(b, i, 0);
    return DX_BULK_OK;
}

DX_BULK_API int dx_bulk_forget(dx_bulk *b, uint64_t offset)
{
    uint32_t chunk;
    if (!b || !b->bitmap_ || !b->known || b->state != DX_BULK_WAITING) return DX_BULK_EINVAL;
    if (b->metrics.connections || offset >= b->object.size) return DX_BULK_EINVAL;
    chunk = (uint32_t)(offset / b->object.chunk_size);
    if (!dx_bulk_p_arrived(b, chunk)) return DX_BULK_ENOTFOUND;
    DX_BULK_ASSERT(b->done_ > 0 && b->metrics.bytes_done >= dx_bulk_p_chunk_size(b, chunk));
    b->bitmap_[chunk >> 3] &= (uint8_t)~(1u << (chunk & 7));
    b->metrics.bytes_done -= dx_bulk_p_chunk_size(b, chunk);
    b->done_--;
    if (chunk < b->first_) {
        b->first_ = chunk;
        b->front = (uint64_t)chunk * b->object.chunk_size;
    }
    return DX_BULK_OK;
}

/* >>controller ----------------------------------------------------------
   A climb by trial: one interval with another number of connections, then back or stay.

       count   32      64      64      32          16     16
                | kept  | trial | kept  | pause ... | trial: fewer
                        5 % more: keep        at most 2 % less: keep

   Each failed trial doubles the pause before the next one and reverses its direction. The interval
   after a change is not counted, because old connections still finish and new ones still start.

   With `yields`, on a link whose queue lasts:

       count   16  12  12   9   9   7   7   9   9
                | trial | trial | trial |
                 the queue stays: keep   it goes: back, and a pause

   Of connections that share a full link with an overflowing queue, as BBR's do, the rate varies by
   a tenth. Each trial compares two samples of that, so that some would gain 5 % by chance. */
static void dx_bulk_p_control_begin(dx_bulk_control *c)
{
    if (!c->count_min) c->count_min = 16;
    if (!c->count_max) c->count_max = DX_BULK_CONNECTIONS_MAX;
    if (!c->count) c->count = 32;
    if (!c->interval_ns) c->interval_ns = DX_BULK_P_SECOND;
    if (c->grow_percent <= 100) c->grow_percent = 200;
    if (c->count > c->count_max) c->count = c->count_max;
    if (c->count < c->count_min) c->count = c->count_min;
    c->kept_ = c->count;
    c->patience_ = 2;
    c->settling_ = true;
    c->lost_[0] = c->lost_[1] = UINT32_MAX;
}

/* Is this rate enough to keep more connections? */
static bool dx_bulk_p_control_is_faster(const dx_bulk_control *c, uint64_t rate)
{
    return rate > c->rate_ + c->rate_ / 20;
}

enum { /* of the path */
    DX_BULK_P_LOSS_PPM      = 100, /* from here on it is lossy, */
    DX_BULK_P_RANDOM_PPM    = 5000, /* more than a shared queue loses, */
    DX_BULK_P_FLOOD_PPM     = 100000, /* it was flooded, as when many connections begin; */
    DX_BULK_P_OVERFLOW_PPM  = 20000, /* if connections bear loss, its queue overflows; */
    DX_BULK_P_QUEUE_PERCENT = 25,  /* it has a queue, */
    DX_BULK_P_BUSY_PERCENT  = 20,  /* on average not enough of one to keep it full, */
    DX_BULK_P_EMPTY_PERCENT = 10,  /* or none */
    DX_BULK_P_QUEUED        = 5,   /* intervals for which a queue is remembered */
    DX_BULK_P_LASTING       = 5,   /* intervals until it is believed, and fewer are tried; */
    DX_BULK_P_FULL          = 8,   /* else until more are tried, */
    DX_BULK_P_FULL_LONG     = 40   /* and until fewer are */
};

static bool dx_bulk_p_control_is_full(const dx_bulk_control *c)
{
    return c->has_path && c->queue_percent >= DX_BULK_P_QUEUE_PERCENT;
}

/* How much of a queue a link that is shared must have on average, to stay full. A deep queue is
   seldom empty, but it happens. */
static uint32_t dx_bulk_p_control_least(const dx_bulk_control *c, uint32_t percent)
{
    const uint32_t part = (uint32_t)((uint64_t)c->longest_ * percent / 100);
    return part > percent ? part : percent;
}

/* Does the trial that ends with this rate show a limit of each connection? If connections share a
   full link with others, the rate changes by less than two thirds of the part by which their
   number does, since all of them change. */
static bool dx_bulk_p_control_is_proportional(const dx_bulk_control *c, uint64_t rate)
{
    const uint64_t kept = c->kept_;
    const uint64_t limit = c->rate_ * (kept + 2 * (uint64_t)c->count);
    return c->count > c->kept_ ? rate * 3 * kept >= limit : rate * 3 * kept < limit;
}

/* Was the trial that ends with this rate good enough to keep its number? If each connection has a
   limit, twice as many gain far more than a half. */
static bool dx_bulk_p_control_gained(const dx_bulk_control *c, uint64_t rate)
{
    const uint64_t chance = c->varies_ < c->rate_ / 8 ? 4 * c->varies_ : c->rate_ / 2;
    if (c->shared_ && c->fewer_)
        return c->queue_percent >= dx_bulk_p_control_least(c, DX_BULK_P_BUSY_PERCENT) &&
               !dx_bulk_p_control_is_proportional(c, rate);
    if (c->fewer_) return rate >= c->rate_ - c->rate_ / 50;
    if (c->queued_ && c->yields) return dx_bulk_p_control_is_proportional(c, rate);
    return dx_bulk_p_control_is_faster(c, rate) && rate > c->rate_ + chance;
}

/* Average the rate of the number that is kept. */
static void dx_bulk_p_control_average(dx_bulk_control *c, uint64_t rate)
{
    const uint64_t off = rate > c->rate_ ? rate - c->rate_ : c->rate_ - rate;
    if (c->rate_) c->varies_ = c->varies_ - c->varies_ / 4 + off / 4;
    c->rate_ = c->rate_ ? c->rate_ - c->rate_ / 4 + rate / 4 : rate;
}

/* Does each connection lose packets that no queue has lost? Those of a queue come in bursts, most
   of all when connections begin. */
static bool dx_bulk_p_control_is_lossy(const dx_bulk_control *c)
{
    uint32_t least = c->loss_ppm;
    uint32_t most = c->loss_ppm;
    if (!c->has_path || c->bears_loss || c->shared_) return false;
    for (int i = 0; i < 2; i++) {
        if (c->lost_[i] < least) least = c->lost_[i];
        if (c->lost_[i] > most && c->lost_[i] != UINT32_MAX) most = c->lost_[i];
    }
    if (most >= DX_BULK_P_FLOOD_PPM) return false;
    if (c->queued_ && least < DX_BULK_P_RANDOM_PPM) return false;
    return c->loss_ppm >= DX_BULK_P_LOSS_PPM && !dx_bulk_p_control_is_full(c);
}

/* More gained nothing: wait, each time twice as long. With a limit also on a lossy path: rates that
   change slowly are seen only by the next attempt. */
static void dx_bulk_p_control_rest(dx_bulk_control *c)
{
    const uint32_t patience_max = 64;
    c->pause_ = c->patience_;
    if (c->patience_ < patience_max) c->patience_ *= 2;
    DX_BULK_ASSERT(c->pause_ <= patience_max);
}

/* Is the rate less by a third? Then the link has changed. */
static bool dx_bulk_p_control_is_slower(const dx_bulk_control *c, uint64_t rate)
{
    return rate < c->rate_ - c->rate_ / 3;
}

/* Loss without a queue: each connection is the limit, so more are opened at once, without a trial
   that would close them again. False: the path is not like that. */
static bool dx_bulk_p_control_grows(dx_bulk_control *c, uint64_t rate)
{
    const bool gained = dx_bulk_p_control_is_faster(c, rate);
    uint32_t more = c->count - c->count / 2;
    if (!dx_bulk_p_control_is_lossy(c) || c->count != c->kept_) return false;
    if (c->grown_ && !gained) {
        dx_bulk_p_control_rest(c);
    } else if (c->grown_ || dx_bulk_p_control_is_slower(c, rate)) {
        c->pause_ = 0;
        c->patience_ = 2;
    }
    c->grown_ = !c->pause_ && c->count < c->count_max;
    c->rate_ = rate;
    c->strange_ = 0;
    if (!c->grown_) return true;
    if (c->queue_percent < DX_BULK_P_EMPTY_PERCENT) more = c->count;
    c->kept_ = more < c->count_max - c->count ? c->count + more : c->count_max;
    c->pause_ = 1; /* this is no trial */
    return true;
}

/* Even the interval after the last growth was faster by a quarter, and the link is still empty?
   Then nothing has to settle before the next one. */
static bool dx_bulk_p_control_hurries(const dx_bulk_control *c, uint64_t rate)
{
    if (!c->grown_ || c->queue_percent >= DX_BULK_P_EMPTY_PERCENT) return false;
    return dx_bulk_p_control_is_lossy(c) && rate > c->rate_ + c->rate_ / 4;
}

/* Do the windows of the connections still grow by themselves? Then any trial would gain. */
static bool dx_bulk_p_control_rises(dx_bulk_control *c, uint64_t rate)
{
    if (!c->has_path || c->count != c->kept_ || dx_bulk_p_control_is_full(c)) return false;
    if (rate <= c->rate_ + c->rate_ / 8) return false;
    c->rate_ = rate;
    c->varies_ = rate / 8;
    c->strange_ = 0;
    c->pause_ = 1;
    c->patience_ = 2;
    return true;
}

/* A link that was shared is empty, and the rate much less: it has changed. */
static void dx_bulk_p_control_notice(dx_bulk_control *c, uint64_t rate)
{
    if (!c->shared_ || c->count != c->kept_) return;
    if (c->queue_percent >= DX_BULK_P_EMPTY_PERCENT) return;
    if (!dx_bulk_p_control_is_slower(c, rate)) return;
    c->shared_ = false;
    c->queued_ = 0;
    c->pause_ = 0;
    c->patience_ = 2;
}

/* A link that is shared: is it not quite full any more? Then some come back, without a trial. */
static bool dx_bulk_p_control_returns(dx_bulk_control *c, uint64_t rate)
{
    const uint32_t more = c->kept_ / 4 + 1;
    if (!c->shared_ || c->count != c->kept_) return false;
    if (c->queue_ >= dx_bulk_p_control_least(c, DX_BULK_P_BUSY_PERCENT)) return false;
    c->kept_ = more < c->count_max - c->kept_ ? c->kept_ + more : c->count_max;
    c->rate_ = rate;
    c->strange_ = 0;
    if (!c->pause_) dx_bulk_p_control_rest(c); /* fewer were too few */
    return true;
}

/* Does the trial with fewer already show that they were needed? */
static bool dx_bulk_p_control_is_idle(const dx_bulk_control *c)
{
    return c->shared_ && c->count < c->kept_ && c->queue_percent < DX_BULK_P_EMPTY_PERCENT;
}

/* A queue must last before anything is tried: also the start makes one. Whoever yields then tries
   fewer. Else, if there is loss, too, the connections fill the link together, and each trial costs:
   the first one, much later, is with fewer. BBR makes a queue also where packets are lost at
   random; only much loss is the queue's. */
static void dx_bulk_p_control_steer(dx_bulk_control *c)
{
    const bool unbiased = c->patience_ == 2; /* the last trial did not fail */
    const uint32_t loss_ppm = c->bears_loss ? DX_BULK_P_OVERFLOW_PPM : DX_BULK_P_LOSS_PPM;
    const uint32_t fewer = c->yields ? DX_BULK_P_LASTING : DX_BULK_P_FULL_LONG;
    const uint32_t more = c->yields ? DX_BULK_P_LASTING : DX_BULK_P_FULL;
    const uint32_t wait = c->loss_ppm >= loss_ppm ? fewer : more;
    c->full_ = dx_bulk_p_control_is_full(c) ? c->full_ + 1 : 0;
    if (c->full_ >= DX_BULK_P_LASTING) c->shared_ = c->yields;
    if (c->queue_ < DX_BULK_P_EMPTY_PERCENT) c->shared_ = false;
    if (!c->full_ || c->count != c->kept_) return;
    if (c->full_ < wait && !c->pause_) c->pause_ = 1;
    if (unbiased && c->full_ == fewer) c->fewer_ = c->kept_ > c->count_min;
}

/* Learn from an interval that counts. */
static void dx_bulk_p_control_learn(dx_bulk_control *c, uint64_t rate)
{
    const bool strange = rate > c->rate_ + c->rate_ / 3 || dx_bulk_p_control_is_slower(c, rate);
    dx_bulk_p_control_notice(c, rate);
    if (dx_bulk_p_control_grows(c, rate) || dx_bulk_p_control_rises(c, rate)) return;
    if (dx_bulk_p_control_returns(c, rate)) return;
    c->grown_ = false;
    c->strange_ = c->count == c->kept_ && c->rate_ && strange ? c->strange_ + 1 : 0;
    if (c->strange_ > 1) { /* once is chance */
        c->fewer_ = false;
        c->rate_ = rate;
        c->varies_ = c->has_path ? rate / 8 : 0;
        c->pause_ = c->strange_ = 0;
        c->patience_ = 2;
    } else if (c->count == c->kept_) {
        dx_bulk_p_control_average(c, rate);
    } else if (dx_bulk_p_control_gained(c, rate)) {
        /* With fewer, the old rate stays the measure: many small losses are a large one. On a link
           that is shared, others have what is missing. */
        if (!c->fewer_ || rate > c->rate_ || c->shared_) c->rate_ = rate;
        c->kept_ = c->count;
        if (!c->shared_ || !c->fewer_) c->patience_ = 2;
    } else {
        dx_bulk_p_control_rest(c);
        c->fewer_ = !c->fewer_;
        c->full_ = 0;
    }
}

/* The number for the next interval: a pause at the kept one, or a trial. */
static void dx_bulk_p_control_try(dx_bulk_control *c)
{
    if (c->kept_ > c->count_max) c->kept_ = c->count_max; /* the caller may have changed both */
    if (c->kept_ < c->count_min) c->kept_ = c->count_min;
    c->count = c->kept_;
    if (c->pause_ || dx_bulk_p_control_is_lossy(c)) {
        if (c->pause_) c->pause_--;
        return;
    }
    if (c->fewer_ && c->shared_) {
        if (c->queue_ < dx_bulk_p_control_least(c, DX_BULK_P_QUEUE_PERCENT)) return;
        c->count -= (c->kept_ + 3) / 4;
    } else if (c->fewer_) {
        c->count = c->kept_ / 2;
    } else {
        c->count = (uint32_t)((uint64_t)c->kept_ * c->grow_percent / 100);
        if (c->count == c->kept_) c->count++;
    }
    if (c->count > c->count_max) c->count = c->count_max;
    if (c->count < c->count_min) c->count = c->count_min;
    if (c->count == c->kept_) c->fewer_ = !c->fewer_;
}

DX_BULK_API uint32_t dx_bulk_control_update(dx_bulk_control *c, uint64_t bytes_done,
                                            uint64_t now_ns)
{
    const uint32_t count_before = c->due_ns_ ? c->count : 0;
    uint64_t rate;
    DX_BULK_ASSERT(!c->yields || !c->bears_loss);
    if (!c->due_ns_) dx_bulk_p_control_begin(c);
    else if (now_ns < c->due_ns_) return c->count;
    rate = (bytes_done - c->bytes_) * 1000 / ((now_ns - c->from_ns_) / 1000000 + 1);
    c->bytes_ = bytes_done;
    c->from_ns_ = now_ns;
    c->due_ns_ = now_ns + c->interval_ns;
    if (dx_bulk_p_control_is_full(c)) c->queued_ = DX_BULK_P_QUEUED;
    else if (c->queued_) c->queued_--;
    c->queue_ = (c->queue_ + (c->has_path ? c->queue_percent : 0) + 1) / 2;
    c->longest_ -= c->longest_ / 64;
    if (c->has_path && c->queue_percent > c->longest_) c->longest_ = c->queue_percent;
    if (c->settling_) {
        c->settling_ = false;
        if (!dx_bulk_p_control_hurries(c, rate) && !dx_bulk_p_control_is_idle(c)) return c->count;
    }
    dx_bulk_p_control_learn(c, rate);
    dx_bulk_p_control_steer(c);
    dx_bulk_p_control_try(c);
    c->lost_[1] = c->lost_[0];
    c->lost_[0] = c->loss_ppm;
    DX_BULK_ASSERT(c->count >= c->count_min && c->count <= c->count_max);
    c->settling_ = c->count != count_before;
    return c->count;
}

DX_BULK_API int dx_bulk_control_event(dx_bulk_control *c, bool opened, uint64_t now_ns)
{
    const uint32_t failures_max = 3;
    const uint32_t doublings_max = 6;
    c->failures = opened ? 0 : c->failures + 1;
    if (opened) return DX_BULK_OK;
    c->retry_deadline_ns = now_ns + (uint64_t)5 * DX_BULK_P_SECOND;
    if (c->failures <= doublings_max)
        c->retry_deadline_ns = now_ns + ((uint64_t)DX_BULK_P_SECOND / 20 << c->failures);
    return c->failures < failures_max ? DX_BULK_OK : DX_BULK_ETIMEDOUT;
}

DX_BULK_API uint32_t dx_bulk_guess(uint64_t bits_per_second, uint64_t latency_ns,
                                   uint32_t count_min, uint32_t count_max)
{
    const uint64_t us = latency_ns / 1000;
    const uint64_t n = us ? bits_per_second / 100 / us : 0;
    if (n < count_min) return count_min;
    return n > count_max ? count_max : (uint32_t)n;
}

#endif /* DX_BULK_IMPLEMENTATION */

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
