/*  dx_peers.h - v0.3.0 - connections for servers: handles, shared buffers, output queues, timeouts
               - MIT-0 or public domain, see end of file

    A layer on dx_reactor.h. A "peer" is the other end of a stream. Input arrives in buffers of the
    reactor's pool, output waits in blocks that all peers share, so an idle connection has neither
    and costs 80 bytes here and about 45 in the reactor. Everything produced until the reactor has
    delivered all its completions goes out in one send.

    Do this in ONE C or C++ file:

        #define DX_PEERS_IMPLEMENTATION       (or DX_IMPLEMENTATION, for the reactor too)
        #include "layers/dx_peers.h"

    and include it elsewhere without the define. Where dx_reactor.h is not one folder up, include it
    first.

    QUICK EXAMPLE

        static size_t echo(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size,
                           bool last)
        {
            if (last) dx_peers_close(s, id, false);      // after queued output
            return dx_peers_send(s, id, bytes, (uint32_t)size) == DX_PEERS_OK ? size : 0;
        }

        int main(void)
        {
            static uint64_t memory[2][1 << 15];
            static dx_reactor r;
            static dx_peers server;
            dx_reactor_address any;
            dx_reactor_desc desc;
            dx_peers_desc peers;
            int listening;
            memset(&desc, 0, sizeof desc);
            desc.memory = memory[0];
            desc.memory_size = sizeof memory[0];
            desc.buffer_count = 8;                       // the pool, for input
            memset(&peers, 0, sizeof peers);
            peers.memory = memory[1];
            peers.memory_size = sizeof memory[1];
            peers.block_count = 8;                       // for output
            peers.received = echo;
            dx_reactor_address_parse(&any, "127.0.0.1:0");
            if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;
            if (dx_reactor_listen(&r, &any, 0, 0, &listening, NULL) != DX_REACTOR_OK) return 2;
            if (dx_peers_open(&server, &r, &peers) != DX_PEERS_OK) return 3;
            if (dx_peers_listen(&server, listening) != DX_PEERS_OK) return 4;
            dx_reactor_run_once(&r, 0);                  // a server: dx_reactor_run(&r)
            return dx_reactor_close(&r);
        }

    CONTENTS (search >>)
        config  errors  types  api  platform  slots  blocks  ends  input  pace  output
        accepting  timeouts  public  license

    GUARANTEES  No allocation, no global, no printing, no recursion. `closed` is called exactly once
                for each peer, and is its last callback. A handle never names a later peer. A peer
                that does not read cannot exhaust the blocks of the others.
    LIMITS      2^24 peers, 2^24 blocks of up to 2^24 bytes. Needs desc.buffer_count of the
                reactor, and dx_reactor_run() or dx_reactor_run_once(), not dx_reactor_wait().
    SIZE        code: x86-64 9,528; objects: dx_peers 528, plus dx_peers_memory_size()
    MEMORY      All of it is desc.memory. Bytes that a peer sends while it is on hold, or faster
                than they are consumed, take blocks. While more than half of them are free (and R
                below), receives are multishot; after that a peer receives one buffer at a time, at
                most 1 + k blocks of new input, k = pool buffer / block, rounded up, and stops with
                block_size bytes that were not consumed. With desc.reserve_input input gets at most
                half of the blocks (rounded up), and no peer is closed for want of a block for it:

                    R           = (1 + k) * peers_max + k * buffers of the reactor's pool
                    input       : at most (block_count + 1) / 2 blocks
                    output      : never the last R, so at least block_count / 2 - R
                    block_count : more than 2 * R, else dx_peers_open() returns EINVAL

                Why: >>pace. Without it, input that finds no block closes its peer: -ENOBUFS.
    THREADS     One: the reactor's. For more, a reactor and a dx_peers for each.
    CONFIG      DX_PEERS_STATIC, DX_PEERS_API, DX_PEERS_ASSERT(c), DX_PEERS_MEMCPY, DX_PEERS_MEMSET,
                DX_PEERS_MEMMOVE
    ERRORS      dx_peers_error: 0 = ok, negative = reason, with the values of dx_reactor_error.
                `closed` receives 0 or -errno.
    OWNERSHIP   The caller owns every object and buffer; desc.memory and *s are borrowed until
                dx_reactor_close(). A descriptor belongs to its peer, which closes it.
    EXAMPLE     docs/reactor.md, "Connections": a whole server and a client.
*/
#ifndef DX_PEERS_H
#define DX_PEERS_H

#define DX_PEERS_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_REACTOR_H
  #include "../dx_reactor.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_PEERS_API
  #ifdef DX_PEERS_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_PEERS_API static __attribute__((unused))
    #else
      #define DX_PEERS_API static
    #endif
  #else
    #define DX_PEERS_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_PEERS_ERRORS(X)                                                                         \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its documented contract */                             \
    X(-2, ENOMEM)     /* desc.memory is missing or too small */                                    \
    X(-3, ENOSPACE)   /* no free block; the peer is closed with -ENOBUFS */                        \
    X(-4, ETOOBIG)    /* more bytes than all blocks for output hold */                             \
    X(-6, EAGAIN)     /* full at the moment: see the function */                                   \
    X(-9, ENOTFOUND)  /* the peer is closed, or about to be */                                     \
    X(-10, ECANCELED) /* output after dx_peers_close(), or the reactor is being closed */

typedef enum dx_peers_error {
#define DX_PEERS_P_ENUM(value, name) DX_PEERS_##name = (value),
    DX_PEERS_ERRORS(DX_PEERS_P_ENUM)
#undef DX_PEERS_P_ENUM
} dx_peers_error;

/* "DX_PEERS_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_PEERS_API const char *dx_peers_error_name(int error);

/* >>types -------------------------------------------------------------- */
typedef struct dx_peers dx_peers;
typedef uint64_t dx_peers_id; /* names one peer, and no later one; 0: none */

/* Timeouts never fire early, but up to three eighths of the smaller one late; the larger one may be
   at most 2000 times the smaller one. */
typedef struct dx_peers_desc {
    void    *memory;      /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size; /* bytes; at least dx_peers_memory_size() */
    uint32_t peers_max;   /* at a time, then accepting pauses; 0 = 1024; at most 2^24 */
    uint32_t block_count; /* for output, and input not consumed yet; 0 = 256; at most 2^24 */
    uint32_t block_size;  /* bytes of each; 0 = 16384; at most 2^24 */
    uint32_t high_water;  /* bytes of output (or half of the free blocks): above it a peer accepts
                             no more output and receives nothing, until only half of it is left;
                             0 = four blocks */
    bool     receive_when_full; /* receive anyway: for the end that sends requests, to avoid a
                                   deadlock of both ends */
    bool     reserve_input; /* blocks for the input of all peers are set aside: see MEMORY */
    uint64_t idle_ns;     /* no byte for this time: closed with -ETIMEDOUT; 0 = never */
    uint64_t linger_ns;   /* from the end of our output to that of the peer's; 0 = idle_ns */
    void    *user;        /* the caller's */

    /* Callbacks. All but `received` may be NULL. They may call everything below. */

    /* A peer was accepted, or has connected. */
    void   (*opened)(dx_peers *s, dx_peers_id id);
    /* Input, after the bytes not consumed last time. Returns how many bytes are consumed; the rest
       is kept and passed again with more input, or after drained. A peer whose unconsumed input
       reaches block_size is closed with -EMSGSIZE. last: end of the peer's data. */
    size_t (*received)(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last);
    /* The peer accepts output again. */
    void   (*drained)(dx_peers *s, dx_peers_id id);
    /* Once for each peer. 0: both ends were sent, or dx_peers_close() with `now`; else -errno. */
    void   (*closed)(dx_peers *s, dx_peers_id id, int32_t reason);
} dx_peers_desc;

struct dx_peers { /* caller-allocated, not to be moved; the first fields may be read */
    dx_reactor   *reactor;
    dx_peers_desc desc;         /* with its defaults filled in */
    uint32_t      count;        /* peers that are open */
    uint32_t      refused;      /* accepted beyond peers_max, or during a drain, and closed */
    int32_t       accept_error; /* the last one: -EMFILE, ...; retried after 8 ms to 1 s */

    dx_reactor_extension extension_; /* finds this object by an operation, and flushes it */
    uint8_t  *peers_;           /* dx_peers_p_peer each */
    uint8_t  *blocks_;          /* stride_ bytes each: dx_peers_p_block and block_size bytes */
    size_t    stride_;
    uint32_t  peer_free_;       /* a list of slots used before; 1 is the first slot, 0: none */
    uint32_t  peers_used_;      /* slots ever used; the memory after them is untouched */
    uint32_t  block_free_;      /* the same of blocks */
    uint32_t  blocks_used_;
    uint32_t  blocks_left_;     /* free blocks */
    uint32_t  reserve_;         /* of them, for input only */
    uint32_t  shots_;           /* multishot receives that are pending */
    uint32_t  dirty_first_;     /* a list of first blocks for the next flush */
    uint32_t  dirty_last_;
    uint32_t  hand_;            /* the slot where the next tick begins */
    uint32_t  lingering_;       /* peers that sent their end and wait for the other */
    uint32_t  idle_ticks_;      /* idle_ns and linger_ns in ticks; 0: no limit */
    uint32_t  linger_ticks_;
    bool      paced_;           /* few blocks are free: no new multishot receives */
    bool      holds_pool_;      /* until those that are pending have ended */
    uint64_t  tick_ns_;
    uint64_t  backoff_ns_;      /* after the last failed accept; 0: it did not fail */
    dx_op     accept_op_;
    dx_op     retry_op_;        /* a timer: accept again; at peers_max a wait for a slot */
    dx_op     tick_op_;         /* a timer: look for idle peers */
    dx_op     drain_op_;        /* a timer: abort the remaining peers */
    int       listening_;       /* -1: dx_peers_listen() was not called */
    uint16_t  tick_;            /* current tick; it wraps */
    bool      draining_;
};

/* >>api ---------------------------------------------------------------- */
/* Required size of desc.memory in bytes; 0: a field is out of its range, or no `received`. */
DX_PEERS_API size_t dx_peers_memory_size(const dx_peers_desc *desc);
/* *peers is used until dx_reactor_close(), which closes its peers. EINVAL: also too few blocks for
   desc.reserve_input; ENOMEM. */
DX_PEERS_API int dx_peers_open(dx_peers *peers, dx_reactor *reactor, const dx_peers_desc *desc);
/* Accept on fd, which stays the caller's. Once for each *peers. EINVAL. May be retried: EAGAIN, the
   reactor has no operation left; ECANCELED, it is being closed. */
DX_PEERS_API int dx_peers_listen(dx_peers *peers, int fd);
/* Stop accepting. Open peers stay open. */
DX_PEERS_API void dx_peers_listen_end(dx_peers *peers);
/* False before dx_peers_listen(), and once its end has taken effect: until then the system may have
   accepted a connection that is about to be opened. To lose none: end, wait for this, drain. */
DX_PEERS_API bool dx_peers_is_listening(const dx_peers *peers);
/* Add a non-blocking stream and own it. address NULL: it is connected, opened is not called; else
   connect it; *address is lent until opened or closed. EINVAL; EAGAIN: peers_max are open. */
DX_PEERS_API int dx_peers_add(dx_peers *peers, int fd, const dx_reactor_address *address,
                              dx_peers_id *id);
/* Stop accepting, send all output and the end of data, and close each peer once it has sent its
   end; close the remaining ones after timeout_ns: -ETIMEDOUT. Done when count is 0. */
DX_PEERS_API void dx_peers_drain(dx_peers *peers, uint64_t timeout_ns);

/* Send all bytes or none. ENOTFOUND; EAGAIN: drained will be called; ENOSPACE: no free block, the
   peer is closed with -ENOBUFS; ETOOBIG: more than all blocks for output hold; ECANCELED: after
   dx_peers_close(). */
DX_PEERS_API int dx_peers_send(dx_peers *peers, dx_peers_id id, const void *data, uint32_t size);
/* Zero-copy send: *out = room for `size` bytes, at most block_size; then, before any other call,
   dx_peers_commit() sends the first bytes of it. */
DX_PEERS_API int dx_peers_reserve(dx_peers *peers, dx_peers_id id, uint32_t size, uint8_t **out);
DX_PEERS_API int dx_peers_commit(dx_peers *peers, dx_peers_id id, uint32_t size);
/* on: stop receiving and pass no input, not even its end, until it is called with false. That call
   passes pending input before it returns, so do not make it from `received` of the same peer.
   Output is not affected. ENOTFOUND. */
DX_PEERS_API int dx_peers_hold(dx_peers *peers, dx_peers_id id, bool on);
/* Send the end of data after queued output; the peer is closed once it has sent its end, too.
   now: drop output and input, and close. `closed` is called later in both cases. ENOTFOUND. */
DX_PEERS_API int dx_peers_close(dx_peers *peers, dx_peers_id id, bool now);
/* The user word, 0 at first; valid until closed has returned; then NULL. */
DX_PEERS_API uint64_t *dx_peers_data(const dx_peers *peers, dx_peers_id id);
/* Its descriptor, for system calls; -1: closed. */
DX_PEERS_API int dx_peers_fd(const dx_peers *peers, dx_peers_id id);
/* Bytes of queued output that the system has not accepted yet. */
DX_PEERS_API uint32_t dx_peers_queued(const dx_peers *peers, dx_peers_id id);
/* Bytes in free blocks for output. When all are taken, a peer with output under way gets EAGAIN,
   one without is closed: to wait instead, check this first. */
DX_PEERS_API uint64_t dx_peers_room(const dx_peers *peers);
/* Give memory back after a load peak: if no peer has a block, *memory and *size describe the memory
   that blocks have used. Its content is not needed, and never read before it is written again, so
   the pages may be returned to the system. False: some peer has a block, or none was used. */
DX_PEERS_API bool dx_peers_unused(dx_peers *peers, void **memory, size_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_PEERS_H */

#if (defined(DX_PEERS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_PEERS_IMPLEMENTED)
#define DX_PEERS_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#include <errno.h>

#ifndef DX_PEERS_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_PEERS_ASSERT(c) assert(c)
  #else
    #define DX_PEERS_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#ifndef DX_PEERS_MEMCPY
  #define DX_PEERS_MEMCPY __builtin_memcpy
#endif
#ifndef DX_PEERS_MEMSET
  #define DX_PEERS_MEMSET __builtin_memset
#endif
#ifndef DX_PEERS_MEMMOVE
  #define DX_PEERS_MEMMOVE __builtin_memmove
#endif

enum {
    DX_PEERS_P_COUNT_MAX   = 1 << 24,
    DX_PEERS_P_ALIGN       = 64,         /* a cache line */
    DX_PEERS_P_TICKS       = 16,         /* ticks of the smaller timeout */
    DX_PEERS_P_TICKS_MAX   = 32000,      /* ticks of the larger one: differences fit into 16 bits */
    DX_PEERS_P_TICK_NS_MIN = 1000000,
    DX_PEERS_P_SHARE       = 4,          /* a tick checks 1/4 of the peers */
    DX_PEERS_P_BURST       = 4096,       /* max length of the accept queue */
    DX_PEERS_P_KEPT_MAX    = 1,          /* blocks of input with which a peer still receives */
    DX_PEERS_P_BACKOFF_MIN = 8000000,    /* ns from a failed accept to the next one, */
    DX_PEERS_P_BACKOFF_MAX = 1000000000  /* doubling up to this */
};

/* >>slots --------------------------------------------------------------
   Peers are stored in an array of slots. Each reuse of a slot increments its generation, so a stale
   handle is not found:

       id   63         32 31           0       peers_   0    1    2    3        peers_used_
            | generation |  slot + 1   |              | p  |    | p  | p  | untouched memory ... |
                                                             '--> free list

   The states of a peer, in flags:

       CONNECTING --> OPEN --+--> LAST: dx_peers_close() --> SHUT: our end was sent ---.
                             |                                                        both
                             +--> ENDED: their end came ---> TOLD: received() knows ---+
                             |                                                         v
                             '--> any error, a timeout, close now ----------------> CLOSING --> free

   CLOSING waits for the peer's operations: first op (a connect or a receive), then the send of its
   first block, then op closes the descriptor; `closed` is called when that completes. */
enum { /* dx_peers_p_peer.flags */
    DX_PEERS_P_IS_OPEN       = 1,   /* the slot is taken */
    DX_PEERS_P_IS_PAUSED     = 2,   /* receives nothing until output was sent */
    DX_PEERS_P_IS_FULL       = 4,   /* refused output; drained will be called */
    DX_PEERS_P_IS_ENDED      = 8,   /* the other end sent its end, */
    DX_PEERS_P_IS_TOLD       = 16,  /* and the caller knows */
    DX_PEERS_P_IS_LAST       = 32,  /* dx_peers_close(): no more output is accepted, */
    DX_PEERS_P_IS_SHUT       = 64,  /* and our end was sent */
    DX_PEERS_P_IS_CLOSING    = 128, /* input is dropped, closed is the only callback left */
    DX_PEERS_P_IS_DIRTY      = 256, /* its first block is in the list of the next flush */
    DX_PEERS_P_IS_CONNECTING = 512, /* op is a connect */
    DX_PEERS_P_IS_RELEASED   = 1024, /* op closes the descriptor, or has */
    DX_PEERS_P_IS_HELD       = 2048, /* receives nothing until dx_peers_hold() says so */
    DX_PEERS_P_IS_SHOT       = 4096  /* op is a multishot receive */
};

typedef struct dx_peers_p_peer {
    dx_op    op;         /* connects, receives, in the end closes; user_data is the caller's */
    uint32_t generation; /* of the slot; in the upper half of its handles */
    uint32_t out;        /* last block of the output's list; 0: empty */
    union {
        uint32_t in;     /* open: last block of the input that was not consumed; 0: none */
        int32_t  reason; /* closing: for closed */
        uint32_t next;   /* free: of the list of free slots */
    } u;
    uint16_t tick;       /* when bytes moved last */
    uint16_t flags;      /* DX_PEERS_P_IS_; 0: the slot is free */
} dx_peers_p_peer;       /* 80 bytes with 64-bit pointers */

typedef struct dx_peers_p_block { /* block_size bytes follow */
    dx_op    op;     /* sends begin..used of the first block of output; user_data: the slot */
    uint32_t next;   /* in its circular list, or the free list; blocks count from 1 */
    uint32_t begin;  /* bytes before it were sent, or consumed */
    uint32_t used;   /* bytes before it are filled */
    uint32_t queued; /* bytes of the whole output list; valid in its last block only */
    uint32_t dirty;  /* the next block of the flush; 0: the last */
    uint32_t before; /* the block that it was appended to; 0: the first */
} dx_peers_p_block;

/* Bytes of input or output that a block holds. */
static uint32_t dx_peers_p_block_size(const dx_peers_p_block *block)
{
    DX_PEERS_ASSERT(block->begin <= block->used);
    return block->used - block->begin;
}

/* The peer in a slot, from 0. */
static dx_peers_p_peer *dx_peers_p_peer_at(const dx_peers *peers, uint32_t slot)
{
    DX_PEERS_ASSERT(slot < peers->desc.peers_max);
    return (dx_peers_p_peer *)(void *)peers->peers_ + slot;
}

/* The inverse. */
static uint32_t dx_peers_p_slot(const dx_peers *peers, const dx_peers_p_peer *peer)
{
    DX_PEERS_ASSERT((const uint8_t *)peer >= peers->peers_);
    return (uint32_t)(peer - (const dx_peers_p_peer *)(const void *)peers->peers_);
}

/* The handle of an open peer. */
static dx_peers_id dx_peers_p_id(const dx_peers *peers, const dx_peers_p_peer *peer)
{
    DX_PEERS_ASSERT(peer->flags & DX_PEERS_P_IS_OPEN);
    return (uint64_t)peer->generation << 32 | (uint64_t)(dx_peers_p_slot(peers, peer) + 1);
}

/* NULL: it is closed, or has one of the flags `without`. */
static dx_peers_p_peer *dx_peers_p_peer_find(const dx_peers *peers, dx_peers_id id,
                                             uint32_t without)
{
    const uint32_t slot = (uint32_t)(id - 1);
    dx_peers_p_peer *peer = NULL;
    if (!peers || slot >= peers->peers_used_) return NULL;
    peer = dx_peers_p_peer_at(peers, slot);
    if (!(peer->flags & DX_PEERS_P_IS_OPEN) || peer->generation != id >> 32) return NULL;
    return peer->flags & without ? NULL : peer;
}

/* The object whose memory contains an operation. */
static dx_peers *dx_peers_p_of(const dx_reactor *reactor, const dx_op *op)
{
    dx_reactor_extension *x = dx_reactor_ext_owner(reactor, op);
    DX_PEERS_ASSERT(x != NULL);
    return (dx_peers *)x->user;
}

/* >>blocks -------------------------------------------------------------
   All peers share the blocks. A peer has one list for its output and one for unconsumed input. A
   list is circular and known by its last block, so appending and removing the first one are O(1); a
   single block links to itself:

                            out
                             |
                             v
       [block 2] -> [block 7] -> [block 5]     bytes  |sent|..... to send .....|free|
        first,                      |                 0    begin               used  block_size
        being sent                  |
        ^---------------------------'
*/
static dx_peers_p_block *dx_peers_p_block_at(const dx_peers *peers, uint32_t number)
{
    DX_PEERS_ASSERT(number >= 1);
    return (dx_peers_p_block *)(void *)(peers->blocks_ + (size_t)(number - 1) * peers->stride_);
}

/* The bytes after the block. */
static uint8_t *dx_peers_p_block_bytes(dx_peers_p_block *block, uint32_t at)
{
    return (uint8_t *)(block + 1) + at;
}

static void dx_peers_p_sent(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags);

/* The last block of a list, with room for `size` bytes, or a new one; NULL: no free block. */
static dx_peers_p_block *dx_peers_p_chain_room(dx_peers *peers, uint32_t *last, uint32_t size)
{
    dx_peers_p_block *before = *last ? dx_peers_p_block_at(peers, *last) : NULL;
    dx_peers_p_block *block;
    uint32_t number;
    DX_PEERS_ASSERT(size <= peers->desc.block_size);
    if (before && peers->desc.block_size - before->used >= size) return before;
    if (!peers->blocks_left_) return NULL;
    peers->blocks_left_--;
    number = peers->block_free_ ? peers->block_free_ : ++peers->blocks_used_;
    DX_PEERS_ASSERT(number <= peers->desc.block_count);
    block = dx_peers_p_block_at(peers, number);
    if (peers->block_free_) peers->block_free_ = block->next;
    else dx_reactor_op_init(&block->op, dx_peers_p_sent, NULL);
    block->begin = 0;
    block->used = 0;
    block->before = *last;
    block->queued = before ? before->queued : 0;
    block->next = before ? before->next : number;
    if (before) before->next = number;
    *last = number;
    return block;
}

/* Remove the block after `before` from a list; after the last one that is the first. */
static void dx_peers_p_chain_pop(dx_peers *peers, uint32_t *last, uint32_t before)
{
    dx_peers_p_block *a = dx_peers_p_block_at(peers, before);
    const uint32_t number = a->next;
    dx_peers_p_block *block = dx_peers_p_block_at(peers, number);
    DX_PEERS_ASSERT(!dx_reactor_op_pending(&block->op));
    a->next = block->next;
    if (number == *last) *last = number == before ? 0 : before;
    block->next = peers->block_free_;
    peers->block_free_ = number;
    peers->blocks_left_++;
    DX_PEERS_ASSERT(peers->blocks_left_ <= peers->desc.block_count);
}

/* Remove the last block, which is still empty. Only first blocks are removed elsewhere, so the
   block that it was appended to is still before it, or it is the only one. */
static void dx_peers_p_chain_pop_last(dx_peers *peers, uint32_t *last)
{
    dx_peers_p_block *block = dx_peers_p_block_at(peers, *last);
    DX_PEERS_ASSERT(block->used == 0);
    if (block->next != *last) dx_peers_p_block_at(peers, block->before)->queued = block->queued;
    dx_peers_p_chain_pop(peers, last, block->next == *last ? *last : block->before);
}

/* Free a whole list. */
static void dx_peers_p_chain_drop(dx_peers *peers, uint32_t *last)
{
    while (*last) dx_peers_p_chain_pop(peers, last, *last);
}

/* Append bytes to a list. False: out of blocks, only a part was appended. */
static bool dx_peers_p_chain_put(dx_peers *peers, uint32_t *last, const uint8_t *bytes,
                                 uint32_t size)
{
    while (size) {
        dx_peers_p_block *block = dx_peers_p_chain_room(peers, last, 1);
        uint32_t n;
        if (!block) return false;
        n = peers->desc.block_size - block->used;
        if (n > size) n = size;
        DX_PEERS_MEMCPY(dx_peers_p_block_bytes(block, block->used), bytes, n);
        block->used += n;
        bytes += n;
        size -= n;
    }
    return true;
}

/* The first block of a nonempty list. */
static dx_peers_p_block *dx_peers_p_chain_first(const dx_peers *peers, uint32_t last)
{
    return dx_peers_p_block_at(peers, dx_peers_p_block_at(peers, last)->next);
}

/* Move bytes of the second block into the first, so that the caller sees more contiguous bytes.
   False: no second block, or no room. */
static bool dx_peers_p_chain_join(dx_peers *peers, uint32_t *last)
{
    const uint32_t first = dx_peers_p_block_at(peers, *last)->next;
    dx_peers_p_block *block = dx_peers_p_block_at(peers, first);
    dx_peers_p_block *from;
    uint32_t n;
    if (first == *last) return false;
    from = dx_peers_p_block_at(peers, block->next);
    block->used -= block->begin;
    DX_PEERS_MEMMOVE(block + 1, dx_peers_p_block_bytes(block, block->begin), block->used);
    block->begin = 0;
    n = dx_peers_p_block_size(from);
    if (n > peers->desc.block_size - block->used) n = peers->desc.block_size - block->used;
    DX_PEERS_MEMCPY(dx_peers_p_block_bytes(block, block->used),
                    dx_peers_p_block_bytes(from, from->begin), n);
    block->used += n;
    from->begin += n;
    if (from->begin == from->used) dx_peers_p_chain_pop(peers, last, first);
    return n != 0;
}

/* Bytes of output that the system has not accepted. */
static uint32_t dx_peers_p_queued(const dx_peers *peers, const dx_peers_p_peer *peer)
{
    return peer->out ? dx_peers_p_block_at(peers, peer->out)->queued : 0;
}

/* >>ends ---------------------------------------------------------------
   How a peer ends: see the picture in >>slots. */

/* Accept while there is a free slot, else wait for one. Either holds one of the reactor's
   operations until accepting ends: if it were freed meanwhile, others could take it, and no event
   would tell when one is free again. A multishot accept may have taken all waiting connections
   before it is cancelled: when slots are short they are accepted one at a time, with input of
   earlier ones in between. OK, EAGAIN, ECANCELED. */
static int dx_peers_p_accept(dx_peers *peers)
{
    DX_PEERS_ASSERT(peers->count <= peers->desc.peers_max);
    if (peers->listening_ < 0 || peers->draining_) return DX_PEERS_OK;
    if (dx_reactor_op_pending(&peers->accept_op_) || dx_reactor_op_pending(&peers->retry_op_))
        return DX_PEERS_OK;
    if (peers->count == peers->desc.peers_max) /* no timeout: a peer that closes cancels it */
        return dx_reactor_timer_at(peers->reactor, &peers->retry_op_, UINT64_MAX);
    if (peers->desc.peers_max - peers->count < DX_PEERS_P_BURST)
        return dx_reactor_accept(peers->reactor, &peers->accept_op_, peers->listening_);
    return dx_reactor_accept_multishot(peers->reactor, &peers->accept_op_, peers->listening_);
}

/* The same after one of the two has completed: its operation is free. */
static void dx_peers_p_accept_on(dx_peers *peers)
{
    const int error = dx_peers_p_accept(peers);
    DX_PEERS_ASSERT(!error || dx_reactor_ext_is_closing(peers->reactor));
    (void)error;
}

static void dx_peers_p_flush(dx_peers *peers);

/* The descriptor is closed: tell the caller and free the slot. */
static void dx_peers_p_free(dx_peers *peers, dx_peers_p_peer *peer)
{
    DX_PEERS_ASSERT(!dx_reactor_op_pending(&peer->op) && peers->count > 0);
    if (peer->flags & DX_PEERS_P_IS_DIRTY)
        dx_peers_p_flush(peers); /* removes its block from the list */
    dx_peers_p_chain_drop(peers, &peer->out);
    if (peers->desc.closed) peers->desc.closed(peers, dx_peers_p_id(peers, peer), peer->u.reason);
    if (peer->flags & DX_PEERS_P_IS_SHUT) peers->lingering_--;
    peer->generation++;
    peer->flags = 0;
    peer->u.next = peers->peer_free_;
    peers->peer_free_ = dx_peers_p_slot(peers, peer) + 1;
    peers->count--;
    if (peers->count == 0 && peers->draining_) dx_reactor_cancel(peers->reactor, &peers->drain_op_);
    /* A slot and a descriptor are free: end the back-off now. */
    dx_reactor_cancel(peers->reactor, &peers->retry_op_);
}

/* Close the descriptor of a closing peer once op is not pending any more. */
static void dx_peers_p_release(dx_peers *peers, dx_peers_p_peer *peer)
{
    DX_PEERS_ASSERT(peer->flags & DX_PEERS_P_IS_CLOSING);
    if (dx_reactor_op_pending(&peer->op)) return;
    peer->flags |= DX_PEERS_P_IS_RELEASED;
    dx_reactor_close_fd(peers->reactor, &peer->op, dx_reactor_ext_op_fd(&peer->op));
}

/* Begin to close a peer. reason: 0 or -errno. */
static void dx_peers_p_abort(dx_peers *peers, dx_peers_p_peer *peer, int32_t reason)
{
    DX_PEERS_ASSERT(reason <= 0);
    if (peer->flags & DX_PEERS_P_IS_CLOSING) return;
    peer->flags |= DX_PEERS_P_IS_CLOSING;
    dx_peers_p_chain_drop(peers, &peer->u.in);
    peer->u.reason = reason;
    if (dx_reactor_op_pending(&peer->op)) dx_reactor_cancel(peers->reactor, &peer->op);
    else dx_peers_p_release(peers, peer);
}

/* An operation could not be started. */
static void dx_peers_p_abort_start(dx_peers *peers, dx_peers_p_peer *peer)
{
    dx_peers_p_abort(peers, peer,
                     dx_reactor_ext_is_closing(peers->reactor) ? -ECANCELED : -ENOBUFS);
}

/* Run ticks while there is a timeout and a peer that it applies to. */
static void dx_peers_p_clock(dx_peers *peers)
{
    const bool idle = peers->idle_ticks_ && peers->count;
    const bool linger = peers->linger_ticks_ && peers->lingering_;
    if (!idle && !linger) return;
    if (!dx_reactor_op_pending(&peers->tick_op_))
        dx_reactor_timer(peers->reactor, &peers->tick_op_, peers->tick_ns_);
}

/* After output was sent or an end was reached: send our end, or close when both ends were sent, or
   when the reactor is being closed: an operation started now would be cancelled. */
static void dx_peers_p_conclude(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t ours = DX_PEERS_P_IS_LAST | DX_PEERS_P_IS_SHUT;
    const uint32_t both = DX_PEERS_P_IS_TOLD | DX_PEERS_P_IS_SHUT;
    if (peer->flags & DX_PEERS_P_IS_CONNECTING) return;
    if ((peer->flags & ours) == DX_PEERS_P_IS_LAST && !peer->out) {
        peer->flags |= DX_PEERS_P_IS_SHUT;
        peer->tick = peers->tick_;
        peers->lingering_++;
        if (!(peer->flags & DX_PEERS_P_IS_TOLD)) /* else the close that follows does */
            dx_reactor_ext_shutdown_now(peers->reactor, dx_reactor_ext_op_fd(&peer->op));
        dx_peers_p_clock(peers);
    }
    DX_PEERS_ASSERT((peer->flags & both) != both || !peer->out);
    if ((peer->flags & both) == both) dx_peers_p_abort(peers, peer, 0);
    else if (dx_reactor_ext_is_closing(peers->reactor)) dx_peers_p_abort(peers, peer, -ECANCELED);
}

/* >>input --------------------------------------------------------------
   A multishot receive delivers pool buffers. Bytes that the caller does not consume are copied into
   blocks, so that the buffer is free at once; they are passed again before later input:

       pool buffer --> received() consumes n --> rest --> blocks --> received() with more

   While a peer is PAUSED, or has unconsumed input, everything goes through the blocks. More than
   one block is passed in parts, so a peer with a whole one that was not consumed receives nothing
   more. */

/* Pass bytes to the caller. Returns how many are consumed. */
static uint32_t dx_peers_p_hand(dx_peers *peers, dx_peers_p_peer *peer, const uint8_t *bytes,
                                uint32_t size, bool last)
{
    size_t n;
    DX_PEERS_ASSERT(!(peer->flags & (DX_PEERS_P_IS_CLOSING | DX_PEERS_P_IS_CONNECTING)));
    n = peers->desc.received(peers, dx_peers_p_id(peers, peer), bytes, size, last);
    return n < size ? (uint32_t)n : size;
}

/* Pass the end of data, with unconsumed input. */
static void dx_peers_p_hand_end(dx_peers *peers, dx_peers_p_peer *peer)
{
    dx_peers_p_block *block = peer->u.in ? dx_peers_p_chain_first(peers, peer->u.in) : NULL;
    DX_PEERS_ASSERT(!(peer->flags & DX_PEERS_P_IS_TOLD));
    peer->flags |= DX_PEERS_P_IS_TOLD;
    if (block)
        dx_peers_p_hand(peers, peer, dx_peers_p_block_bytes(block, block->begin),
                        block->used - block->begin, true);
    else dx_peers_p_hand(peers, peer, NULL, 0, true);
    if (peer->flags & DX_PEERS_P_IS_CLOSING) return;
    dx_peers_p_chain_drop(peers, &peer->u.in);
    dx_peers_p_conclude(peers, peer);
}

/* Pass kept input again, and the end of data after it. */
static void dx_peers_p_digest(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t stop = DX_PEERS_P_IS_PAUSED | DX_PEERS_P_IS_CLOSING | DX_PEERS_P_IS_HELD;
    const uint32_t ends = stop | DX_PEERS_P_IS_ENDED | DX_PEERS_P_IS_TOLD;
    while (!(peer->flags & stop) && peer->u.in) {
        dx_peers_p_block *block = dx_peers_p_chain_first(peers, peer->u.in);
        const uint32_t size = dx_peers_p_block_size(block);
        const uint8_t *bytes = dx_peers_p_block_bytes(block, block->begin);
        const uint32_t n = dx_peers_p_hand(peers, peer, bytes, size, false);
        if (peer->flags & DX_PEERS_P_IS_CLOSING) return;
        block->begin += n;
        if (n == size) {
            dx_peers_p_chain_pop(peers, &peer->u.in, peer->u.in);
        } else if (!dx_peers_p_chain_join(peers, &peer->u.in)) {
            /* No more input. A full block that is not consumed although no output is under way
               will never be consumed. */
            if (size < peers->desc.block_size || n || peer->out || (peer->flags & stop)) break;
            dx_peers_p_abort(peers, peer, -EMSGSIZE);
        }
    }
    if ((peer->flags & ends) == DX_PEERS_P_IS_ENDED) dx_peers_p_hand_end(peers, peer);
}

/* Has an open peer a whole block of input that was not consumed? More of it would not be passed. */
static bool dx_peers_p_is_stuffed(const dx_peers *peers, const dx_peers_p_peer *peer)
{
    const dx_peers_p_block *first;
    DX_PEERS_ASSERT(!(peer->flags & DX_PEERS_P_IS_CLOSING));
    if (!peer->u.in) return false;
    first = dx_peers_p_chain_first(peers, peer->u.in);
    return first != dx_peers_p_block_at(peers, peer->u.in) ||
           dx_peers_p_block_size(first) == peers->desc.block_size;
}

/* Take received bytes. */
static void dx_peers_p_process(dx_peers *peers, dx_peers_p_peer *peer, const uint8_t *bytes,
                               uint32_t size)
{
    const bool kept = peer->u.in != 0;
    uint32_t n = 0;
    /* After our end was sent, linger_ns is a total limit: bytes do not extend it. */
    if (!(peer->flags & DX_PEERS_P_IS_SHUT) || !peers->linger_ticks_) peer->tick = peers->tick_;
    if (!kept && !(peer->flags & (DX_PEERS_P_IS_PAUSED | DX_PEERS_P_IS_HELD)))
        n = dx_peers_p_hand(peers, peer, bytes, size, false);
    if (n == size || (peer->flags & DX_PEERS_P_IS_CLOSING)) return;
    if (!dx_peers_p_chain_put(peers, &peer->u.in, bytes + n, size - n))
        dx_peers_p_abort(peers, peer, -ENOBUFS);
    else if (kept || dx_peers_p_is_stuffed(peers, peer))
        dx_peers_p_digest(peers, peer);
    if (!(peer->flags & DX_PEERS_P_IS_CLOSING) && dx_peers_p_is_stuffed(peers, peer))
        dx_reactor_cancel(peers->reactor, &peer->op);
}

/* >>pace ---------------------------------------------------------------
   A canceled multishot receive still delivers what the kernel has filled: each of many peers that
   are put on hold one after the other has then several buffers in blocks, whatever their number is.
   So few free blocks change the pace, and all at once:

       free blocks  | 0 ..... reserve_ ..... reserve_ + half | ...... 3/4 ...... | block_count |
                    | input only |          paced            |  as it was before |  multishot  |

   Paced: all multishot receives are canceled, and started again as single ones, which fill one
   buffer and the next one after that was returned. Three things take blocks for input after that,
   with k = blocks of a buffer, and P buffers in the pool:

     - The canceled receives deliver at most P buffers, as the pool is on hold until they have
       ended: no buffer is filled twice. They take k * P blocks.
     - A single receive is pending only if its peer has at most one block, which is not full: at
       most 1 + k blocks with the buffer that it may deliver. A peer is paused or put on hold in the
       callback of that buffer, then nothing follows, or outside, then the one may follow.
     - Peers with more blocks receive nothing, so they only give blocks back.

   Together that is R = k * P + (1 + k) * peers_max. With reserve_ = R it starts with more than
   R + block_count / 2 free blocks before the first buffer, so input has at most half of the blocks
   in the end, and output never takes the last R. */

/* Blocks of the pool's buffers and of the peers that receive one each. */
static uint64_t dx_peers_p_input_blocks(const dx_peers *peers)
{
    const uint32_t buffer = dx_reactor_ext_pool_size(peers->reactor);
    const uint64_t each = (buffer + peers->desc.block_size - 1) / peers->desc.block_size;
    return each * dx_reactor_ext_pool_count(peers->reactor) +
           (DX_PEERS_P_KEPT_MAX + each) * peers->desc.peers_max;
}

/* The multishot receives have ended: fill the pool again. */
static void dx_peers_p_pace_settle(dx_peers *peers)
{
    if (peers->shots_ || !peers->holds_pool_) return;
    peers->holds_pool_ = false;
    dx_reactor_ext_pool_hold(peers->reactor, false);
}

/* Few blocks are free: cancel all multishot receives. */
static void dx_peers_p_pace_begin(dx_peers *peers)
{
    uint32_t slot;
    DX_PEERS_ASSERT(!peers->paced_ && !peers->holds_pool_);
    peers->paced_ = true;
    if (!peers->shots_) return;
    peers->holds_pool_ = true;
    dx_reactor_ext_pool_hold(peers->reactor, true);
    for (slot = 0; slot < peers->peers_used_; slot++) {
        dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, slot);
        if (peer->flags & DX_PEERS_P_IS_SHOT) dx_reactor_cancel(peers->reactor, &peer->op);
    }
}

/* Input has arrived: choose the pace, and have a peer that keeps up receive at the other one. */
static void dx_peers_p_pace(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t few = peers->reserve_ + peers->desc.block_count / 2;
    const uint32_t enough = few + (peers->desc.block_count - few) / 2;
    const uint32_t stop = DX_PEERS_P_IS_SHOT | DX_PEERS_P_IS_CLOSING;
    if (!peers->paced_ && peers->blocks_left_ <= few) dx_peers_p_pace_begin(peers);
    else if (peers->paced_ && !peers->holds_pool_ && peers->blocks_left_ > enough)
        peers->paced_ = false;
    if (!peers->paced_ && !(peer->flags & stop)) dx_reactor_cancel(peers->reactor, &peer->op);
}

/* Receive, unless a receive is pending or input is stopped. */
static void dx_peers_p_receive(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t stop = DX_PEERS_P_IS_PAUSED | DX_PEERS_P_IS_HELD | DX_PEERS_P_IS_ENDED |
                          DX_PEERS_P_IS_CLOSING;
    const int fd = dx_reactor_ext_op_fd(&peer->op);
    int error;
    if (dx_reactor_op_pending(&peer->op) || (peer->flags & stop)) return;
    if (dx_peers_p_is_stuffed(peers, peer)) return;
    error = peers->paced_ ? dx_reactor_ext_recv_single(peers->reactor, &peer->op, fd)
                          : dx_reactor_recv_multishot(peers->reactor, &peer->op, fd);
    if (error) {
        dx_peers_p_abort_start(peers, peer);
    } else if (!peers->paced_) {
        peer->flags |= DX_PEERS_P_IS_SHOT;
        peers->shots_++;
    }
}

/* Open a peer that was accepted, or has connected. */
static void dx_peers_p_begin(dx_peers *peers, dx_peers_p_peer *peer)
{
    if (peers->desc.opened) peers->desc.opened(peers, dx_peers_p_id(peers, peer));
    dx_peers_p_receive(peers, peer);
}

/* The last completion of a peer's op. */
static void dx_peers_p_ended(dx_peers *peers, dx_peers_p_peer *peer, int32_t result)
{
    const bool connecting = (peer->flags & DX_PEERS_P_IS_CONNECTING) != 0;
    if (peer->flags & DX_PEERS_P_IS_SHOT) peers->shots_--;
    peer->flags &= (uint16_t)~(DX_PEERS_P_IS_CONNECTING | DX_PEERS_P_IS_SHOT);
    dx_peers_p_pace_settle(peers);
    if (peer->flags & DX_PEERS_P_IS_RELEASED) {
        dx_peers_p_free(peers, peer);
    } else if (peer->flags & DX_PEERS_P_IS_CLOSING) {
        dx_peers_p_release(peers, peer);
    } else if (connecting && result == 0) {
        dx_peers_p_begin(peers, peer);
        dx_peers_p_conclude(peers, peer);
    } else if (result == 0) {
        peer->flags |= DX_PEERS_P_IS_ENDED;
        dx_peers_p_digest(peers, peer);
        dx_peers_p_conclude(peers, peer);
    } else if (result == -ECANCELED && !dx_reactor_ext_is_closing(peers->reactor)) {
        dx_peers_p_receive(peers, peer); /* it was paused, and may be resumed by now */
    } else {
        dx_peers_p_abort(peers, peer, result);
    }
}

/* A completion of a peer's op: op.fn. */
static void dx_peers_p_event(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    dx_peers *peers = dx_peers_p_of(reactor, op);
    dx_peers_p_peer *peer = (dx_peers_p_peer *)(void *)op; /* its first field */
    if (!(flags & DX_REACTOR_F_BUFFER)) {
        dx_peers_p_ended(peers, peer, result);
        return;
    }
    DX_PEERS_ASSERT(result > 0 && (flags & DX_REACTOR_F_MORE));
    if (!(peer->flags & DX_PEERS_P_IS_CLOSING))
        dx_peers_p_process(peers, peer, (const uint8_t *)dx_reactor_buffer(reactor, flags),
                           (uint32_t)result);
    dx_peers_p_pace(peers, peer);
    dx_reactor_return_buffer(reactor, flags);
}

/* >>output -------------------------------------------------------------
   Output is appended to the peer's list of blocks. The first append while nothing is being sent
   makes the peer DIRTY; before the reactor waits, one flush sends the first block of every dirty
   peer, so that many small writes become one:

       dirty_first_ --> block 3 --> block 9 --> ... --> dirty_last_       (.dirty links them)
                         of peer 0   of peer 4

   When the send of a block completes, it queues the next one in the same list. Only a block that is
   neither in that list nor being sent may be removed from its peer's output. No block there is
   empty: an unneeded reserved block is removed before anything else happens. */

/* The peer is full: accept no more output, and receive nothing. */
static void dx_peers_p_pause(dx_peers *peers, dx_peers_p_peer *peer)
{
    DX_PEERS_ASSERT(peer->out && !(peer->flags & DX_PEERS_P_IS_CLOSING));
    peer->flags |= DX_PEERS_P_IS_FULL;
    if (peers->desc.receive_when_full || (peer->flags & DX_PEERS_P_IS_PAUSED)) return;
    peer->flags |= DX_PEERS_P_IS_PAUSED;
    if (!(peer->flags & DX_PEERS_P_IS_CONNECTING)) dx_reactor_cancel(peers->reactor, &peer->op);
}

/* There is output: send it before the reactor waits, unless a send is pending. */
static void dx_peers_p_dirty(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t first = dx_peers_p_block_at(peers, peer->out)->next;
    dx_peers_p_block *block = dx_peers_p_block_at(peers, first);
    DX_PEERS_ASSERT(dx_peers_p_block_size(block) > 0);
    if (dx_reactor_op_pending(&block->op) || (peer->flags & DX_PEERS_P_IS_DIRTY)) return;
    peer->flags |= DX_PEERS_P_IS_DIRTY;
    block->op.user_data = dx_peers_p_slot(peers, peer);
    block->dirty = 0;
    if (peers->dirty_first_) dx_peers_p_block_at(peers, peers->dirty_last_)->dirty = first;
    else peers->dirty_first_ = first;
    peers->dirty_last_ = first;
    dx_reactor_ext_flush_later(peers->reactor, &peers->extension_);
}

/* Send the first block of all dirty peers. */
static void dx_peers_p_flush(dx_peers *peers)
{
    while (peers->dirty_first_) {
        dx_peers_p_block *block = dx_peers_p_block_at(peers, peers->dirty_first_);
        dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, (uint32_t)block->op.user_data);
        DX_PEERS_ASSERT(peer->flags & DX_PEERS_P_IS_DIRTY);
        DX_PEERS_ASSERT(peer->out && dx_peers_p_chain_first(peers, peer->out) == block);
        peers->dirty_first_ = block->dirty;
        peer->flags &= (uint16_t)~DX_PEERS_P_IS_DIRTY;
        if (peer->flags & DX_PEERS_P_IS_CLOSING) continue;
        if (dx_reactor_send(peers->reactor, &block->op, dx_reactor_ext_op_fd(&peer->op),
                            dx_peers_p_block_bytes(block, block->begin),
                            dx_peers_p_block_size(block)) != DX_REACTOR_OK)
            dx_peers_p_abort_start(peers, peer);
    }
}

/* The reactor calls this before it waits, and when it is closed: dx_reactor_extension.flush. On
   close, no completion reaches a peer without an operation (one that is held), so end it here. */
static void dx_peers_p_flush_all(dx_reactor *reactor, dx_reactor_extension *extension)
{
    dx_peers *peers = (dx_peers *)extension->user;
    uint32_t slot;
    dx_peers_p_flush(peers);
    if (!dx_reactor_ext_is_closing(reactor)) return;
    for (slot = 0; slot < peers->peers_used_; slot++) {
        dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, slot);
        if ((peer->flags & DX_PEERS_P_IS_OPEN) && !dx_reactor_op_pending(&peer->op))
            dx_peers_p_abort(peers, peer, -ECANCELED);
    }
}

/* Output of an open peer was sent. */
static void dx_peers_p_gone(dx_peers *peers, dx_peers_p_peer *peer)
{
    const uint32_t queued = dx_peers_p_queued(peers, peer);
    if (peer->out) dx_peers_p_dirty(peers, peer);
    if ((peer->flags & DX_PEERS_P_IS_FULL) && queued <= peers->desc.high_water / 2) {
        peer->flags &= (uint16_t)~(DX_PEERS_P_IS_PAUSED | DX_PEERS_P_IS_FULL);
        if (peers->desc.drained) peers->desc.drained(peers, dx_peers_p_id(peers, peer));
        dx_peers_p_digest(peers, peer);
        dx_peers_p_receive(peers, peer);
    } else if (dx_peers_p_is_stuffed(peers, peer)) { /* was it waiting for this output? */
        dx_peers_p_digest(peers, peer);
        dx_peers_p_receive(peers, peer);
    }
    dx_peers_p_conclude(peers, peer);
}

/* The send of a block has completed: its op.fn. */
static void dx_peers_p_sent(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    dx_peers *peers = dx_peers_p_of(reactor, op);
    dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, (uint32_t)op->user_data);
    dx_peers_p_block *block = (dx_peers_p_block *)(void *)op; /* its first field */
    (void)flags;
    DX_PEERS_ASSERT(peer->out && dx_peers_p_chain_first(peers, peer->out) == block);
    if (result >= 0) {
        peer->tick = peers->tick_;
        block->begin += (uint32_t)result;
        dx_peers_p_block_at(peers, peer->out)->queued -= (uint32_t)result;
        if (block->begin == block->used) dx_peers_p_chain_pop(peers, &peer->out, peer->out);
    }
    if (peer->flags & DX_PEERS_P_IS_CLOSING) dx_peers_p_release(peers, peer);
    else if (result < 0) dx_peers_p_abort(peers, peer, result);
    else dx_peers_p_gone(peers, peer);
}

/* The peer, if it accepts `size` bytes of output now. */
static int dx_peers_p_admit(dx_peers *peers, dx_peers_id id, uint32_t size, dx_peers_p_peer **out)
{
    dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, DX_PEERS_P_IS_CLOSING);
    *out = peer;
    if (!peer) return peers ? DX_PEERS_ENOTFOUND : DX_PEERS_EINVAL;
    if (peer->flags & DX_PEERS_P_IS_LAST) return DX_PEERS_ECANCELED;
    if (size > (uint64_t)(peers->desc.block_count - peers->reserve_) * peers->desc.block_size)
        return DX_PEERS_ETOOBIG;
    if (!(peer->flags & DX_PEERS_P_IS_FULL) && size <= dx_peers_room(peers)) return DX_PEERS_OK;
    if (peer->out) {
        dx_peers_p_pause(peers, peer);
        return DX_PEERS_EAGAIN;
    }
    /* Without a send no event tells when blocks are free again. */
    dx_peers_p_abort(peers, peer, -ENOBUFS);
    return DX_PEERS_ENOSPACE;
}

/* `size` bytes were appended. The limit is at most half of the free blocks (dynamic thresholds,
   Choudhury and Hahne, 1998) without one for each peer, at most a quarter of all: however many
   peers do not read, the next one gets some. */
static void dx_peers_p_queue(dx_peers *peers, dx_peers_p_peer *peer, uint32_t size)
{
    const uint32_t quarter = (peers->desc.block_count - peers->reserve_) / 4;
    const uint32_t spare = peers->count < quarter ? peers->count : quarter;
    const uint64_t kept = (uint64_t)spare * peers->desc.block_size;
    const uint64_t room = dx_peers_room(peers);
    const uint64_t half = room > kept ? (room - kept) / 2 : 0;
    dx_peers_p_block *block = dx_peers_p_block_at(peers, peer->out);
    block->queued += size;
    DX_PEERS_ASSERT(block->queued >= size);
    dx_peers_p_dirty(peers, peer);
    if (block->queued >= peers->desc.high_water || block->queued >= half)
        dx_peers_p_pause(peers, peer);
}

/* >>accepting ---------------------------------------------------------- */
/* A slot for a peer, whose time begins with dx_peers_p_clock(); NULL: all are taken. */
static dx_peers_p_peer *dx_peers_p_peer_new(dx_peers *peers, int fd)
{
    dx_peers_p_peer *peer = NULL;
    uint32_t generation = 1;
    if (peers->count == peers->desc.peers_max || peers->draining_) return NULL;
    if (peers->peer_free_) {
        peer = dx_peers_p_peer_at(peers, peers->peer_free_ - 1);
        DX_PEERS_ASSERT(peer->flags == 0);
        generation = peer->generation;
        peers->peer_free_ = peer->u.next;
    } else {
        peer = dx_peers_p_peer_at(peers, peers->peers_used_++);
    }
    DX_PEERS_MEMSET(peer, 0, sizeof *peer);
    dx_reactor_ext_op_init(&peer->op, dx_peers_p_event, fd);
    peer->generation = generation;
    peer->flags = DX_PEERS_P_IS_OPEN;
    peer->tick = peers->tick_;
    peers->count++;
    return peer;
}

/* An accept has failed, most likely because descriptors ran out. Retry when a peer closes, or after
   a while. */
static void dx_peers_p_back_off(dx_peers *peers, int32_t error)
{
    peers->accept_error = error;
    if (peers->backoff_ns_) peers->backoff_ns_ *= 2;
    else peers->backoff_ns_ = DX_PEERS_P_BACKOFF_MIN;
    if (peers->backoff_ns_ > DX_PEERS_P_BACKOFF_MAX) peers->backoff_ns_ = DX_PEERS_P_BACKOFF_MAX;
    dx_reactor_timer(peers->reactor, &peers->retry_op_, peers->backoff_ns_);
}

/* A completion of the accept: its op.fn. */
static void dx_peers_p_accepted(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    dx_peers *peers = (dx_peers *)dx_reactor_op_user(op);
    dx_peers_p_peer *peer = result >= 0 ? dx_peers_p_peer_new(peers, result) : NULL;
    if (result >= 0 && !peer) {
        peers->refused++;
        dx_reactor_ext_close_now(reactor, result);
    } else if (result < 0 && result != -ECANCELED) {
        dx_peers_p_back_off(peers, result);
    }
    /* Before the clock or the program takes the freed operation. */
    if (!(flags & DX_REACTOR_F_MORE)) dx_peers_p_accept_on(peers);
    else if (peers->desc.peers_max - peers->count < DX_PEERS_P_BURST)
        dx_reactor_cancel(reactor, op);
    if (!peer) return;
    dx_peers_p_clock(peers);
    peers->backoff_ns_ = 0;
    dx_peers_p_begin(peers, peer);
}

/* The end of a back-off, or a free slot. */
static void dx_peers_p_retry(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    (void)reactor;
    (void)result; /* -ECANCELED: a peer has closed */
    (void)flags;
    dx_peers_p_accept_on((dx_peers *)dx_reactor_op_user(op));
}

/* >>timeouts -----------------------------------------------------------
   There is no timer for each peer: bytes that move store the current tick in it. The smaller
   timeout has 16 ticks, and each tick the hand checks a quarter of the slots:

       slots  | 0 . . . | . . . . | . . . . | . . . . |       a whole round takes 4 ticks, so an
                hand_ --------->                              idle peer is found 1 to 6 ticks late
*/
static void dx_peers_p_check(dx_peers *peers, dx_peers_p_peer *peer)
{
    uint32_t limit = peers->idle_ticks_;
    if (!(peer->flags & DX_PEERS_P_IS_OPEN)) return;
    if ((peer->flags & DX_PEERS_P_IS_SHUT) && peers->linger_ticks_) limit = peers->linger_ticks_;
    if (limit && (uint16_t)(peers->tick_ - peer->tick) > limit)
        dx_peers_p_abort(peers, peer, -ETIMEDOUT);
}

/* One tick. */
static void dx_peers_p_tick(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    dx_peers *peers = (dx_peers *)dx_reactor_op_user(op);
    uint32_t left = peers->peers_used_ / DX_PEERS_P_SHARE + 1;
    (void)reactor;
    (void)flags;
    if (result < 0) return;
    peers->tick_++;
    while (left--) {
        DX_PEERS_ASSERT(peers->hand_ < peers->peers_used_);
        dx_peers_p_check(peers, dx_peers_p_peer_at(peers, peers->hand_));
        peers->hand_ = peers->hand_ + 1 < peers->peers_used_ ? peers->hand_ + 1 : 0;
    }
    dx_peers_p_clock(peers);
}

/* The timeout of dx_peers_drain(). */
static void dx_peers_p_drain_over(dx_reactor *reactor, dx_op *op, int32_t result, uint32_t flags)
{
    dx_peers *peers = (dx_peers *)dx_reactor_op_user(op);
    uint32_t slot;
    (void)reactor;
    (void)flags;
    if (result < 0) return; /* all have closed already */
    for (slot = 0; slot < peers->peers_used_; slot++) {
        dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, slot);
        if (peer->flags & DX_PEERS_P_IS_OPEN) dx_peers_p_abort(peers, peer, -ETIMEDOUT);
    }
    dx_peers_p_clock(peers);
}

/* >>public ------------------------------------------------------------- */
DX_PEERS_API const char *dx_peers_error_name(int error)
{
    switch (error) {
#define DX_PEERS_P_CASE(value, name)                                                               \
    case value: return "DX_PEERS_" #name;
    DX_PEERS_ERRORS(DX_PEERS_P_CASE)
#undef DX_PEERS_P_CASE
    default: return "unknown error";
    }
}

/* Fill in *desc's defaults and the ticks of its timeouts. False: a field is out of its range. */
static bool dx_peers_p_defaults(dx_peers *peers, dx_peers_desc *desc)
{
    const uint32_t max = DX_PEERS_P_COUNT_MAX;
    uint64_t high, shorter = desc->idle_ns;
    if (!desc->peers_max) desc->peers_max = 1024;
    if (!desc->block_count) desc->block_count = 256;
    if (!desc->block_size) desc->block_size = 16384;
    high = desc->high_water ? desc->high_water : (uint64_t)4 * desc->block_size;
    if (desc->peers_max > max || desc->block_count > max || desc->block_size > max ||
        high > INT32_MAX)
        return false;
    desc->high_water = (uint32_t)high;
    if (desc->linger_ns && (!desc->idle_ns || desc->linger_ns < desc->idle_ns))
        shorter = desc->linger_ns;
    peers->tick_ns_ = shorter / DX_PEERS_P_TICKS;
    if (peers->tick_ns_ < DX_PEERS_P_TICK_NS_MIN) peers->tick_ns_ = DX_PEERS_P_TICK_NS_MIN;
    if (desc->idle_ns / peers->tick_ns_ > DX_PEERS_P_TICKS_MAX ||
        desc->linger_ns / peers->tick_ns_ > DX_PEERS_P_TICKS_MAX)
        return false;
    peers->idle_ticks_ = (uint32_t)((desc->idle_ns + peers->tick_ns_ - 1) / peers->tick_ns_);
    peers->linger_ticks_ = (uint32_t)((desc->linger_ns + peers->tick_ns_ - 1) / peers->tick_ns_);
    return desc->received != NULL;
}

/* Compute defaults and sizes. Returns the bytes that desc.memory needs; 0: a field is invalid. */
static size_t dx_peers_p_plan(dx_peers *peers, const dx_peers_desc *desc)
{
    uint64_t size;
    DX_PEERS_MEMSET(peers, 0, sizeof *peers);
    peers->desc = *desc;
    if (!dx_peers_p_defaults(peers, &peers->desc)) return 0;
    peers->stride_ = (sizeof(dx_peers_p_block) + peers->desc.block_size + DX_PEERS_P_ALIGN - 1) /
                 DX_PEERS_P_ALIGN * DX_PEERS_P_ALIGN;
    size = (uint64_t)peers->desc.peers_max * sizeof(dx_peers_p_peer) + DX_PEERS_P_ALIGN +
           (uint64_t)peers->desc.block_count * peers->stride_;
    return size == (size_t)size ? (size_t)size : 0;
}

DX_PEERS_API size_t dx_peers_memory_size(const dx_peers_desc *desc)
{
    dx_peers peers;
    return desc ? dx_peers_p_plan(&peers, desc) : 0;
}

DX_PEERS_API int dx_peers_open(dx_peers *peers, dx_reactor *reactor, const dx_peers_desc *desc)
{
    uint64_t reserve;
    size_t size;
    if (!peers || !desc || !dx_reactor_ext_pool_count(reactor)) return DX_PEERS_EINVAL;
    size = dx_peers_p_plan(peers, desc);
    if (!size) return DX_PEERS_EINVAL;
    if (!desc->memory || desc->memory_size < size) return DX_PEERS_ENOMEM;
    peers->blocks_ = (uint8_t *)desc->memory;
    peers->blocks_ += (0 - (uintptr_t)desc->memory) % DX_PEERS_P_ALIGN;
    peers->peers_ = peers->blocks_ + (size_t)peers->desc.block_count * peers->stride_;
    peers->reactor = reactor;
    reserve = peers->desc.reserve_input ? dx_peers_p_input_blocks(peers) : 0;
    if (peers->desc.reserve_input && peers->desc.block_count <= 2 * reserve) return DX_PEERS_EINVAL;
    peers->reserve_ = (uint32_t)reserve;
    peers->blocks_left_ = peers->desc.block_count;
    peers->listening_ = -1;
    dx_reactor_op_init(&peers->accept_op_, dx_peers_p_accepted, peers);
    dx_reactor_op_init(&peers->retry_op_, dx_peers_p_retry, peers);
    dx_reactor_op_init(&peers->tick_op_, dx_peers_p_tick, peers);
    dx_reactor_op_init(&peers->drain_op_, dx_peers_p_drain_over, peers);
    peers->extension_.flush = dx_peers_p_flush_all;
    peers->extension_.user = peers;
    peers->extension_.memory = desc->memory;
    peers->extension_.memory_size = desc->memory_size;
    return dx_reactor_ext_attach(reactor, &peers->extension_);
}

DX_PEERS_API int dx_peers_listen(dx_peers *peers, int fd)
{
    int error;
    if (!peers || fd < 0 || peers->listening_ >= 0) return DX_PEERS_EINVAL;
    peers->listening_ = fd;
    error = dx_peers_p_accept(peers);
    if (error) peers->listening_ = -1;
    return error;
}

DX_PEERS_API void dx_peers_listen_end(dx_peers *peers)
{
    peers->listening_ = -1;
    dx_reactor_cancel(peers->reactor, &peers->accept_op_);
    dx_reactor_cancel(peers->reactor, &peers->retry_op_);
}

DX_PEERS_API bool dx_peers_is_listening(const dx_peers *peers)
{
    return dx_reactor_op_pending(&peers->accept_op_) || dx_reactor_op_pending(&peers->retry_op_);
}

DX_PEERS_API int dx_peers_add(dx_peers *peers, int fd, const dx_reactor_address *address,
                              dx_peers_id *id)
{
    dx_peers_p_peer *peer = NULL;
    if (!peers || fd < 0 || !id) return DX_PEERS_EINVAL;
    peer = dx_peers_p_peer_new(peers, fd);
    if (!peer) return DX_PEERS_EAGAIN;
    dx_peers_p_clock(peers);
    *id = dx_peers_p_id(peers, peer);
    if (!address) {
        dx_peers_p_receive(peers, peer);
    } else if (dx_reactor_connect(peers->reactor, &peer->op, fd, address) == DX_REACTOR_OK) {
        peer->flags |= DX_PEERS_P_IS_CONNECTING;
    } else {
        dx_peers_p_abort_start(peers, peer);
    }
    return DX_PEERS_OK;
}

DX_PEERS_API void dx_peers_drain(dx_peers *peers, uint64_t timeout_ns)
{
    uint32_t slot;
    peers->draining_ = true;
    dx_reactor_cancel(peers->reactor, &peers->accept_op_);
    dx_reactor_cancel(peers->reactor, &peers->retry_op_);
    for (slot = 0; slot < peers->peers_used_; slot++) {
        dx_peers_p_peer *peer = dx_peers_p_peer_at(peers, slot);
        if (peer->flags & DX_PEERS_P_IS_OPEN)
            dx_peers_close(peers, dx_peers_p_id(peers, peer), false);
    }
    if (peers->count && !dx_reactor_op_pending(&peers->drain_op_))
        dx_reactor_timer(peers->reactor, &peers->drain_op_, timeout_ns);
}

DX_PEERS_API int dx_peers_send(dx_peers *peers, dx_peers_id id, const void *data, uint32_t size)
{
    dx_peers_p_peer *peer = NULL;
    bool whole;
    int error;
    if (!data && size) return DX_PEERS_EINVAL;
    error = dx_peers_p_admit(peers, id, size, &peer);
    if (error || !size) return error;
    whole = dx_peers_p_chain_put(peers, &peer->out, (const uint8_t *)data, size);
    DX_PEERS_ASSERT(whole);
    (void)whole;
    dx_peers_p_queue(peers, peer, size);
    return DX_PEERS_OK;
}

DX_PEERS_API int dx_peers_reserve(dx_peers *peers, dx_peers_id id, uint32_t size, uint8_t **out)
{
    dx_peers_p_peer *peer = NULL;
    dx_peers_p_block *block;
    int error;
    if (!out || !size) return DX_PEERS_EINVAL;
    error = dx_peers_p_admit(peers, id, size, &peer);
    if (error) return error;
    if (size > peers->desc.block_size) return DX_PEERS_ETOOBIG;
    block = dx_peers_p_chain_room(peers, &peer->out, size);
    DX_PEERS_ASSERT(block != NULL);
    *out = dx_peers_p_block_bytes(block, block->used);
    return DX_PEERS_OK;
}

DX_PEERS_API int dx_peers_commit(dx_peers *peers, dx_peers_id id, uint32_t size)
{
    dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, DX_PEERS_P_IS_CLOSING);
    dx_peers_p_block *block = peer && peer->out ? dx_peers_p_block_at(peers, peer->out) : NULL;
    if (!peer) return peers ? DX_PEERS_ENOTFOUND : DX_PEERS_EINVAL;
    if (!block || size > peers->desc.block_size - block->used) return DX_PEERS_EINVAL;
    block->used += size;
    if (size) dx_peers_p_queue(peers, peer, size);
    else if (!block->used)
        dx_peers_p_chain_pop_last(peers, &peer->out); /* the reserved block is not needed */
    return DX_PEERS_OK;
}

DX_PEERS_API int dx_peers_hold(dx_peers *peers, dx_peers_id id, bool on)
{
    dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, DX_PEERS_P_IS_CLOSING);
    if (!peer) return peers ? DX_PEERS_ENOTFOUND : DX_PEERS_EINVAL;
    if (on && !(peer->flags & DX_PEERS_P_IS_HELD)) {
        peer->flags |= DX_PEERS_P_IS_HELD;
        if (!(peer->flags & DX_PEERS_P_IS_CONNECTING)) dx_reactor_cancel(peers->reactor, &peer->op);
    } else if (!on && (peer->flags & DX_PEERS_P_IS_HELD)) {
        peer->flags &= (uint16_t)~DX_PEERS_P_IS_HELD;
        dx_peers_p_digest(peers, peer);
        if (!(peer->flags & DX_PEERS_P_IS_CONNECTING)) dx_peers_p_receive(peers, peer);
    }
    return DX_PEERS_OK;
}

DX_PEERS_API int dx_peers_close(dx_peers *peers, dx_peers_id id, bool now)
{
    dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, DX_PEERS_P_IS_CLOSING);
    if (!peer) return peers ? DX_PEERS_ENOTFOUND : DX_PEERS_EINVAL;
    peer->flags |= DX_PEERS_P_IS_LAST;
    if (now) dx_peers_p_abort(peers, peer, 0);
    else dx_peers_p_conclude(peers, peer);
    return DX_PEERS_OK;
}

DX_PEERS_API uint64_t *dx_peers_data(const dx_peers *peers, dx_peers_id id)
{
    dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, 0);
    return peer ? &peer->op.user_data : NULL;
}

DX_PEERS_API int dx_peers_fd(const dx_peers *peers, dx_peers_id id)
{
    const dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, 0);
    return peer ? dx_reactor_ext_op_fd(&peer->op) : -1;
}

DX_PEERS_API uint32_t dx_peers_queued(const dx_peers *peers, dx_peers_id id)
{
    const dx_peers_p_peer *peer = dx_peers_p_peer_find(peers, id, 0);
    return peer ? dx_peers_p_queued(peers, peer) : 0;
}

DX_PEERS_API bool dx_peers_unused(dx_peers *peers, void **memory, size_t *size)
{
    if (!peers || !memory || !size || !peers->blocks_used_) return false;
    if (peers->blocks_left_ != peers->desc.block_count) return false;
    DX_PEERS_ASSERT(!peers->dirty_first_);
    *memory = peers->blocks_;
    *size = peers->blocks_used_ * peers->stride_;
    peers->blocks_used_ = 0; /* as after init: every block is unused, and linked */
    peers->block_free_ = 0; /* when it is first taken */
    return true;
}

DX_PEERS_API uint64_t dx_peers_room(const dx_peers *peers)
{
    const uint32_t left = peers->blocks_left_;
    if (left <= peers->reserve_) return 0;
    return (uint64_t)(left - peers->reserve_) * peers->desc.block_size;
}

#endif /* DX_PEERS_IMPLEMENTATION */

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
