/*  dx_peers.h - connections for dx_reactor.h: handles, shared buffers, one output queue each
              - MIT-0 or public domain, see the end of dx_reactor.h

    In the one file that holds the reactor's implementation:

        #define DX_REACTOR_IMPLEMENTATION
        #include "dx_reactor.h"
        #include "dx_peers.h"

    docs/reactor.md has an example. It uses what is private in the reactor, so take both from one version. */
#ifndef DX_REACTOR_PEERS_H
#define DX_REACTOR_PEERS_H

/* Streams with what servers need, "peers". Input comes in buffers of the reactor's pool, output
   waits in blocks that all share: an idle one has neither and costs 80 bytes here, 44 to 48 in the
   reactor. What is produced until the reactor has delivered all it had goes out in one send. Needs
   desc.buffers, and dx_reactor_turn() or run(), not wait(). */
typedef struct dx_reactor_peers dx_reactor_peers;
typedef uint64_t dx_reactor_peer; /* names one, and no later one; 0: none */

/* Limits of time: never early, late by three eighths of the smaller one; at most 2000 : 1. */
typedef struct dx_reactor_peers_desc {
    void    *memory;      /* required, any alignment; borrowed until dx_reactor_close() */
    size_t   memory_size; /* bytes; at least dx_reactor_peers_memory_size() */
    uint32_t peers_max;   /* at a time, then accepting pauses; 0 = 1024; at most 2^24 */
    uint32_t blocks;      /* of output, and of input not consumed; 0 = 256; at most 2^24 */
    uint32_t block_size;  /* bytes of each; 0 = 16384; at most 2^24 */
    uint32_t high;        /* bytes of output, or half of the blocks that are left: from there on a
                             peer takes no more and receives nothing, until half of `high` is left;
                             0 = four blocks */
    bool     both_ways;   /* but receives: for the end that asks, lest both wait for the other */
    uint64_t idle_ns;     /* no byte for so long: closed, -ETIMEDOUT; 0 = never */
    uint64_t linger_ns;   /* from the end of the output to that of the input; 0 = idle_ns */
    void    *user;
    /* All but received may be NULL. They may call everything below. */
    void   (*opened)(dx_reactor_peers *s, dx_reactor_peer id); /* accepted or connected */
    /* Bytes that came, behind those that were left before. Returns how many are consumed; the rest
       is kept and comes again with more, or after drained. One that leaves block_size bytes is
       closed: -EMSGSIZE. last: the other end has sent its end, nothing comes after this. */
    size_t (*received)(dx_reactor_peers *s, dx_reactor_peer id, const uint8_t *bytes, size_t size,
                       bool last);
    void   (*drained)(dx_reactor_peers *s, dx_reactor_peer id); /* it takes output again */
    /* Once for each. 0: both ends have ended, or dx_reactor_peer_close() now; else -errno. */
    void   (*closed)(dx_reactor_peers *s, dx_reactor_peer id, int32_t reason);
} dx_reactor_peers_desc;

struct dx_reactor_peers { /* caller-allocated, not to be moved; the first fields may be read */
    dx_reactor *reactor;
    dx_reactor_peers_desc desc; /* with its defaults filled in */
    uint32_t count;        /* open */
    uint32_t refused;      /* accepted beyond peers_max, or while draining, and closed */
    int32_t  accept_error; /* the last: -EMFILE, ...; accepting is tried again in 8 ms to 1 s */
    dx_reactor_peers *next_;
    uint8_t *peers_, *blocks_;
    size_t   stride_;
    uint32_t peer_free_, peers_used_, block_free_, blocks_used_, blocks_left_;
    uint32_t dirty_first_, dirty_last_, hand_, lingering_, idle_ticks_, linger_ticks_;
    uint64_t tick_ns_, backoff_ns_;
    dx_op    accept_op_, retry_op_, tick_op_, drain_op_;
    int      listening_;
    uint16_t tick_;
    bool     draining_;
};

/* 0: a field is out of its range. */
DX_REACTOR_API size_t dx_reactor_peers_memory_size(const dx_reactor_peers_desc *desc);
/* *s is used until dx_reactor_close(), which closes its peers. EINVAL, ENOMEM. */
DX_REACTOR_API int  dx_reactor_peers_open(dx_reactor_peers *s, dx_reactor *r,
                                          const dx_reactor_peers_desc *desc);
/* Accept on fd, which stays the caller's. Once for each *s. EINVAL. */
DX_REACTOR_API int  dx_reactor_peers_listen(dx_reactor_peers *s, int fd);
/* Own a non-blocking stream from now on. address NULL: it is connected, opened is not called; else
   connect it; *address is lent until opened or closed. EINVAL; EAGAIN: there are peers_max. */
DX_REACTOR_API int  dx_reactor_peers_add(dx_reactor_peers *s, int fd,
                                         const dx_reactor_address *address, dx_reactor_peer *id);
/* Accept no more, close every peer when its output has gone and it has ended, those that are left
   within_ns later: -ETIMEDOUT. Done when count is 0. */
DX_REACTOR_API void dx_reactor_peers_drain(dx_reactor_peers *s, uint64_t within_ns);

/* Of one peer. ENOTFOUND: it is closed, or about to be. Output is taken whole or not at all:
   EAGAIN: drained will be called; ENOSPACE: others have all blocks, it is closed, -ENOBUFS;
   ETOOBIG: more than there ever is; ECANCELED: after close. */
DX_REACTOR_API int dx_reactor_peer_send(dx_reactor_peers *s, dx_reactor_peer id, const void *data,
                                        uint32_t size);
/* Without a copy: room for `size` bytes, at most block_size, in *out; then, before anything else is
   called, say how many of them are to be sent. */
DX_REACTOR_API int dx_reactor_peer_reserve(dx_reactor_peers *s, dx_reactor_peer id, uint32_t size,
                                           uint8_t **out);
DX_REACTOR_API int dx_reactor_peer_commit(dx_reactor_peers *s, dx_reactor_peer id, uint32_t size);
/* The end of data behind what is queued; closed when the other end has ended too. now: output and
   all. closed is called later in both cases. */
DX_REACTOR_API int dx_reactor_peer_close(dx_reactor_peers *s, dx_reactor_peer id, bool now);
/* The caller's word, 0 at first, to be read and written until closed has returned; then NULL. */
DX_REACTOR_API uint64_t *dx_reactor_peer_data(const dx_reactor_peers *s, dx_reactor_peer id);
/* Its descriptor, to ask the system about; -1. */
DX_REACTOR_API int dx_reactor_peer_fd(const dx_reactor_peers *s, dx_reactor_peer id);

enum { /* dx_reactor_p_peer.flags */
    DX_REACTOR_P_IS_OPEN    = 1,
    DX_REACTOR_P_IS_PAUSED  = 2,   /* receives nothing until output has gone */
    DX_REACTOR_P_IS_FULL    = 4,   /* waits for drained */
    DX_REACTOR_P_IS_ENDED   = 8,   /* the other end sends no more, */
    DX_REACTOR_P_IS_TOLD    = 16,  /* and the caller knows */
    DX_REACTOR_P_IS_LAST    = 32,  /* nor does this one, */
    DX_REACTOR_P_IS_SHUT    = 64,  /* which the other end was told */
    DX_REACTOR_P_IS_CLOSING = 128,
    DX_REACTOR_P_IS_DIRTY   = 256 /* in the list of those that have output and send none */
};

typedef struct dx_reactor_p_peer {
    dx_op    op; /* connects, receives, in the end closes; user_data is the caller's */
    uint32_t generation;
    uint32_t out, in;     /* last blocks of circular lists, or 0. Closing: in is the reason; free:
                             out is the next free one */
    uint16_t tick, flags; /* when bytes moved last */
} dx_reactor_p_peer;

typedef struct dx_reactor_p_block { /* its bytes follow */
    dx_op    op;     /* sends begin..used of the first block of output; user_data is the peer */
    uint32_t next;   /* numbers begin with 1 */
    uint32_t begin, used;
    uint32_t queued; /* bytes of all its list; valid in the last one */
    uint32_t dirty;  /* the next with output that is not being sent */
    uint32_t unused;
} dx_reactor_p_block;

static dx_reactor_p_peer *dx_reactor_p_peer_at(const dx_reactor_peers *s, uint32_t i)
{
    return (dx_reactor_p_peer *)(void *)s->peers_ + i;
}

static dx_reactor_p_block *dx_reactor_p_block_at(const dx_reactor_peers *s, uint32_t i)
{
    return (dx_reactor_p_block *)(void *)(s->blocks_ + (size_t)(i - 1) * s->stride_);
}

static uint8_t *dx_reactor_p_block_bytes(dx_reactor_p_block *b, uint32_t at)
{
    return (uint8_t *)(b + 1) + at;
}

static dx_reactor_peer dx_reactor_p_peer_id(const dx_reactor_peers *s, const dx_reactor_p_peer *p)
{
    return (uint64_t)p->generation << 32 | (uint64_t)(p - dx_reactor_p_peer_at(s, 0) + 1);
}

/* NULL: it is not open, or its flags are among `without`. */
static dx_reactor_p_peer *dx_reactor_p_peer_find(const dx_reactor_peers *s, dx_reactor_peer id,
                                                 uint32_t without)
{
    const uint32_t i = (uint32_t)(id - 1);
    dx_reactor_p_peer *p = NULL;
    if (!s || i >= s->peers_used_) return NULL;
    p = dx_reactor_p_peer_at(s, i);
    if (!(p->flags & DX_REACTOR_P_IS_OPEN) || p->generation != id >> 32) return NULL;
    return p->flags & without ? NULL : p;
}

/* Whose memory an operation lies in. */
static dx_reactor_peers *dx_reactor_p_peers_of(const dx_reactor *r, const dx_op *op)
{
    dx_reactor_peers *s = (dx_reactor_peers *)r->peers_;
    while ((uintptr_t)op - (uintptr_t)s->desc.memory >= s->desc.memory_size) s = s->next_;
    return s;
}

static void dx_reactor_p_peer_sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);
static void dx_reactor_p_flush(dx_reactor *r);

/* The last block of a list, with room for `size` bytes; NULL: a new one is needed, there is none. */
static dx_reactor_p_block *dx_reactor_p_chain_room(dx_reactor_peers *s, uint32_t *last,
                                                   uint32_t size)
{
    const uint32_t i = s->block_free_ ? s->block_free_ : s->blocks_used_ + 1;
    dx_reactor_p_block *before = *last ? dx_reactor_p_block_at(s, *last) : NULL;
    dx_reactor_p_block *b = dx_reactor_p_block_at(s, i);
    if (before && s->desc.block_size - before->used >= size) return before;
    if (!s->blocks_left_) return NULL;
    s->blocks_left_--;
    if (s->block_free_) s->block_free_ = b->next;
    else dx_reactor_op_init(&b->op, dx_reactor_p_peer_sent, NULL);
    if (i > s->blocks_used_) s->blocks_used_ = i;
    b->begin = b->used = 0;
    b->queued = before ? before->queued : 0;
    b->next = before ? before->next : i;
    if (before) before->next = i;
    *last = i;
    return b;
}

/* Take the block behind `before` out of a list; behind the last one that is the first. */
static void dx_reactor_p_chain_pop(dx_reactor_peers *s, uint32_t *last, uint32_t before)
{
    dx_reactor_p_block *a = dx_reactor_p_block_at(s, before);
    const uint32_t i = a->next;
    dx_reactor_p_block *b = dx_reactor_p_block_at(s, i);
    a->next = b->next;
    if (i == *last) *last = i == before ? 0 : before;
    b->next = s->block_free_;
    s->block_free_ = i;
    s->blocks_left_++;
}

/* Bytes behind those of a list. False: only a part, there are no more blocks. */
static bool dx_reactor_p_chain_put(dx_reactor_peers *s, uint32_t *last, const uint8_t *bytes,
                                   uint32_t size)
{
    while (size) {
        dx_reactor_p_block *b = dx_reactor_p_chain_room(s, last, 1);
        uint32_t n = b ? s->desc.block_size - b->used : 0;
        if (!b) return false;
        if (n > size) n = size;
        DX_REACTOR_MEMCPY(dx_reactor_p_block_bytes(b, b->used), bytes, n);
        b->used += n;
        bytes += n;
        size -= n;
    }
    return true;
}

static dx_reactor_p_block *dx_reactor_p_chain_first(const dx_reactor_peers *s, uint32_t last)
{
    return dx_reactor_p_block_at(s, dx_reactor_p_block_at(s, last)->next);
}

/* Bring bytes of the second block into the first. False: there are none, or no room. */
static bool dx_reactor_p_chain_join(dx_reactor_peers *s, uint32_t *last)
{
    const uint32_t first = dx_reactor_p_block_at(s, *last)->next;
    dx_reactor_p_block *b = dx_reactor_p_block_at(s, first);
    dx_reactor_p_block *from = dx_reactor_p_block_at(s, b->next);
    uint32_t n = from->used - from->begin;
    if (first == *last) return false;
    b->used -= b->begin;
    __builtin_memmove(b + 1, dx_reactor_p_block_bytes(b, b->begin), b->used);
    b->begin = 0;
    if (n > s->desc.block_size - b->used) n = s->desc.block_size - b->used;
    DX_REACTOR_MEMCPY(dx_reactor_p_block_bytes(b, b->used),
                      dx_reactor_p_block_bytes(from, from->begin), n);
    b->used += n;
    from->begin += n;
    if (from->begin == from->used) dx_reactor_p_chain_pop(s, last, first);
    return n != 0;
}

static void dx_reactor_p_peer_pause(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    p->flags |= DX_REACTOR_P_IS_FULL;
    if (s->desc.both_ways || (p->flags & DX_REACTOR_P_IS_PAUSED)) return;
    p->flags |= DX_REACTOR_P_IS_PAUSED;
    if (p->op.kind_ == DX_REACTOR_P_RECV) dx_reactor_cancel(s->reactor, &p->op);
}

/* There is output: send it before the reactor waits, unless some is on its way. */
static void dx_reactor_p_peer_dirty(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    const uint32_t first = dx_reactor_p_block_at(s, p->out)->next;
    dx_reactor_p_block *b = dx_reactor_p_block_at(s, first);
    if (dx_reactor_op_pending(&b->op) || (p->flags & DX_REACTOR_P_IS_DIRTY)) return;
    p->flags |= DX_REACTOR_P_IS_DIRTY;
    b->op.user_data = (uint64_t)(p - dx_reactor_p_peer_at(s, 0));
    b->dirty = 0;
    if (s->dirty_first_) dx_reactor_p_block_at(s, s->dirty_last_)->dirty = first;
    else s->dirty_first_ = first;
    s->dirty_last_ = first;
    s->reactor->flush_ = dx_reactor_p_flush;
}

static void dx_reactor_p_peers_accept(dx_reactor_peers *s)
{
    if (s->listening_ >= 0 && !s->draining_ && s->count < s->desc.peers_max &&
        !dx_reactor_op_pending(&s->accept_op_) && !dx_reactor_op_pending(&s->retry_op_))
        dx_reactor_accept_multishot(s->reactor, &s->accept_op_, s->listening_);
}

/* What is left to do for one that is closing, when one of its operations has ended. */
static void dx_reactor_p_peer_step(dx_reactor_peers *s, dx_reactor_p_peer *p, bool is_closed)
{
    if (!is_closed) {
        if (!dx_reactor_op_pending(&p->op)) dx_reactor_close_fd(s->reactor, &p->op, p->op.fd_);
        return;
    }
    if (p->flags & DX_REACTOR_P_IS_DIRTY) dx_reactor_p_flush(s->reactor);
    while (p->out) dx_reactor_p_chain_pop(s, &p->out, p->out);
    if (s->desc.closed) s->desc.closed(s, dx_reactor_p_peer_id(s, p), -(int32_t)p->in);
    if (p->flags & DX_REACTOR_P_IS_SHUT) s->lingering_--;
    p->generation++;
    p->flags = 0;
    p->out = s->peer_free_;
    s->peer_free_ = (uint32_t)(p - dx_reactor_p_peer_at(s, 0)) + 1;
    if (--s->count == 0 && s->draining_) dx_reactor_cancel(s->reactor, &s->drain_op_);
    if (dx_reactor_op_pending(&s->retry_op_)) dx_reactor_cancel(s->reactor, &s->retry_op_);
    else dx_reactor_p_peers_accept(s);
}

static void dx_reactor_p_peer_abort(dx_reactor_peers *s, dx_reactor_p_peer *p, int32_t reason)
{
    if (p->flags & DX_REACTOR_P_IS_CLOSING) return;
    p->flags |= DX_REACTOR_P_IS_CLOSING;
    while (p->in) dx_reactor_p_chain_pop(s, &p->in, p->in);
    p->in = (uint32_t)-reason;
    if (dx_reactor_op_pending(&p->op)) dx_reactor_cancel(s->reactor, &p->op);
    else dx_reactor_p_peer_step(s, p, false);
}

static void dx_reactor_p_peers_clock(dx_reactor_peers *s)
{
    if ((s->idle_ticks_ && s->count) || (s->linger_ticks_ && s->lingering_))
        if (!dx_reactor_op_pending(&s->tick_op_))
            dx_reactor_timer(s->reactor, &s->tick_op_, s->tick_ns_);
}

/* After output has gone or an end was reached. */
static void dx_reactor_p_peer_conclude(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    const uint32_t ours = DX_REACTOR_P_IS_LAST | DX_REACTOR_P_IS_SHUT;
    const uint32_t both = DX_REACTOR_P_IS_TOLD | DX_REACTOR_P_IS_SHUT;
    if (dx_reactor_op_pending(&p->op) && p->op.kind_ == DX_REACTOR_P_CONNECT) return;
    if ((p->flags & ours) == DX_REACTOR_P_IS_LAST && !p->out) {
        p->flags |= DX_REACTOR_P_IS_SHUT;
        p->tick = s->tick_;
        s->lingering_++;
        if (!(p->flags & DX_REACTOR_P_IS_TOLD))
            s->reactor->backend_->shutdown(s->reactor, p->op.fd_);
        dx_reactor_p_peers_clock(s);
    }
    if ((p->flags & both) == both) dx_reactor_p_peer_abort(s, p, 0);
}

/* Hand bytes to the caller. Returns how many are consumed. */
static uint32_t dx_reactor_p_peer_hand(dx_reactor_peers *s, dx_reactor_p_peer *p,
                                       const uint8_t *bytes, uint32_t size, bool last)
{
    size_t n = s->desc.received(s, dx_reactor_p_peer_id(s, p), bytes, size, last);
    return n < size ? (uint32_t)n : size;
}

/* Hand over what was kept, and the end of data behind it. */
static void dx_reactor_p_peer_digest(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    const uint32_t stop = DX_REACTOR_P_IS_PAUSED | DX_REACTOR_P_IS_CLOSING;
    dx_reactor_p_block *b;
    uint32_t size = 0, n;
    while (p->in && !(p->flags & stop)) {
        b = dx_reactor_p_chain_first(s, p->in);
        size = b->used - b->begin;
        n = dx_reactor_p_peer_hand(s, p, dx_reactor_p_block_bytes(b, b->begin), size, false);
        if (p->flags & DX_REACTOR_P_IS_CLOSING) return;
        b->begin += n;
        if (n == size) dx_reactor_p_chain_pop(s, &p->in, p->in);
        else if (dx_reactor_p_chain_join(s, &p->in)) continue;
        else if (size < s->desc.block_size || n || p->out) break;
        else dx_reactor_p_peer_abort(s, p, -EMSGSIZE);
    }
    if ((p->flags & (stop | DX_REACTOR_P_IS_ENDED | DX_REACTOR_P_IS_TOLD)) != DX_REACTOR_P_IS_ENDED)
        return;
    p->flags |= DX_REACTOR_P_IS_TOLD;
    b = p->in ? dx_reactor_p_chain_first(s, p->in) : NULL;
    dx_reactor_p_peer_hand(s, p, b ? dx_reactor_p_block_bytes(b, b->begin) : NULL,
                           b ? b->used - b->begin : 0, true);
    if (p->flags & DX_REACTOR_P_IS_CLOSING) return;
    while (p->in) dx_reactor_p_chain_pop(s, &p->in, p->in);
    dx_reactor_p_peer_conclude(s, p);
}

/* Bytes that came. */
static void dx_reactor_p_peer_take(dx_reactor_peers *s, dx_reactor_p_peer *p, const uint8_t *bytes,
                                   uint32_t size)
{
    const bool kept = p->in != 0;
    uint32_t n = 0;
    if (!(p->flags & DX_REACTOR_P_IS_SHUT) || !s->linger_ticks_) p->tick = s->tick_;
    if (!kept && !(p->flags & DX_REACTOR_P_IS_PAUSED))
        n = dx_reactor_p_peer_hand(s, p, bytes, size, false);
    if (n == size || (p->flags & DX_REACTOR_P_IS_CLOSING)) return;
    if (!dx_reactor_p_chain_put(s, &p->in, bytes + n, size - n))
        dx_reactor_p_peer_abort(s, p, -ENOBUFS);
    else if (kept) dx_reactor_p_peer_digest(s, p);
}

static void dx_reactor_p_peer_receive(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    const uint32_t stop = DX_REACTOR_P_IS_PAUSED | DX_REACTOR_P_IS_ENDED | DX_REACTOR_P_IS_CLOSING;
    if (!dx_reactor_op_pending(&p->op) && !(p->flags & stop) &&
        dx_reactor_recv_multishot(s->reactor, &p->op, p->op.fd_) != DX_REACTOR_OK)
        dx_reactor_p_peer_abort(s, p, s->reactor->closing_ ? -ECANCELED : -ENOBUFS);
}

static void dx_reactor_p_peer_begin(dx_reactor_peers *s, dx_reactor_p_peer *p)
{
    if (s->desc.opened) s->desc.opened(s, dx_reactor_p_peer_id(s, p));
    dx_reactor_p_peer_receive(s, p);
}

/* What became of the operation of a peer. */
static void dx_reactor_p_peer_event(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_reactor_peers *s = dx_reactor_p_peers_of(r, op);
    dx_reactor_p_peer *p = (dx_reactor_p_peer *)(void *)op;
    const bool closing = (p->flags & DX_REACTOR_P_IS_CLOSING) != 0;
    if (flags & DX_REACTOR_F_BUFFER) {
        if (!closing)
            dx_reactor_p_peer_take(s, p, (const uint8_t *)dx_reactor_buffer(r, flags),
                                   (uint32_t)result);
        dx_reactor_return_buffer(r, flags);
    } else if (closing) {
        dx_reactor_p_peer_step(s, p, op->kind_ == DX_REACTOR_P_CLOSE);
    } else if (op->kind_ == DX_REACTOR_P_CONNECT && result == 0) {
        dx_reactor_p_peer_begin(s, p);
        dx_reactor_p_peer_conclude(s, p);
    } else if (result == 0) {
        p->flags |= DX_REACTOR_P_IS_ENDED;
        dx_reactor_p_peer_digest(s, p);
    } else if (result == -ECANCELED && !r->closing_) {
        dx_reactor_p_peer_receive(s, p); /* it was paused */
    } else {
        dx_reactor_p_peer_abort(s, p, result);
    }
}

static void dx_reactor_p_peer_sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_reactor_peers *s = dx_reactor_p_peers_of(r, op);
    dx_reactor_p_peer *p = dx_reactor_p_peer_at(s, (uint32_t)op->user_data);
    dx_reactor_p_block *b = (dx_reactor_p_block *)(void *)op;
    (void)flags;
    if (result >= 0) {
        p->tick = s->tick_;
        b->begin += (uint32_t)result;
        dx_reactor_p_block_at(s, p->out)->queued -= (uint32_t)result;
        if (b->begin == b->used) dx_reactor_p_chain_pop(s, &p->out, p->out);
    }
    if (p->flags & DX_REACTOR_P_IS_CLOSING) {
        dx_reactor_p_peer_step(s, p, false);
    } else if (result < 0) {
        dx_reactor_p_peer_abort(s, p, result);
    } else {
        uint32_t queued = p->out ? dx_reactor_p_block_at(s, p->out)->queued : 0;
        if (p->out) dx_reactor_p_peer_dirty(s, p);
        if ((p->flags & DX_REACTOR_P_IS_FULL) && queued <= s->desc.high / 2) {
            p->flags &= (uint16_t)~(DX_REACTOR_P_IS_PAUSED | DX_REACTOR_P_IS_FULL);
            if (s->desc.drained) s->desc.drained(s, dx_reactor_p_peer_id(s, p));
            dx_reactor_p_peer_digest(s, p);
            dx_reactor_p_peer_receive(s, p);
        }
        dx_reactor_p_peer_conclude(s, p);
    }
}

/* Send what was produced since the last time. */
static void dx_reactor_p_flush(dx_reactor *r)
{
    dx_reactor_peers *s;
    r->flush_ = NULL;
    for (s = (dx_reactor_peers *)r->peers_; s; s = s->next_)
        while (s->dirty_first_) {
            dx_reactor_p_block *b = dx_reactor_p_block_at(s, s->dirty_first_);
            dx_reactor_p_peer *p = dx_reactor_p_peer_at(s, (uint32_t)b->op.user_data);
            s->dirty_first_ = b->dirty;
            p->flags &= (uint16_t)~DX_REACTOR_P_IS_DIRTY;
            if (!(p->flags & DX_REACTOR_P_IS_CLOSING) &&
                dx_reactor_send(r, &b->op, p->op.fd_, dx_reactor_p_block_bytes(b, b->begin),
                                b->used - b->begin) != DX_REACTOR_OK)
                dx_reactor_p_peer_abort(s, p, r->closing_ ? -ECANCELED : -ENOBUFS);
        }
}

/* A place for a peer; NULL: all are taken. */
static dx_reactor_p_peer *dx_reactor_p_peer_new(dx_reactor_peers *s, int fd)
{
    dx_reactor_p_peer *p = NULL;
    uint32_t generation = 1;
    if (s->count == s->desc.peers_max || s->draining_) return NULL;
    p = dx_reactor_p_peer_at(s, s->peer_free_ ? s->peer_free_ - 1 : s->peers_used_++);
    if (s->peer_free_) {
        generation = p->generation;
        s->peer_free_ = p->out;
    }
    DX_REACTOR_MEMSET(p, 0, sizeof *p);
    p->op.fn = dx_reactor_p_peer_event;
    p->op.fd_ = fd;
    p->generation = generation;
    p->flags = DX_REACTOR_P_IS_OPEN;
    p->tick = s->tick_;
    s->count++;
    dx_reactor_p_peers_clock(s);
    return p;
}

static void dx_reactor_p_peers_accepted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_reactor_peers *s = (dx_reactor_peers *)dx_reactor_op_user(op);
    dx_reactor_p_peer *p = result >= 0 ? dx_reactor_p_peer_new(s, result) : NULL;
    if (p) {
        s->backoff_ns_ = 0;
        dx_reactor_p_peer_begin(s, p);
    } else if (result >= 0) {
        s->refused++;
        r->backend_->close_fd(r, result);
    } else if (result != -ECANCELED) { /* no descriptors, most likely */
        s->accept_error = result;
        s->backoff_ns_ = s->backoff_ns_ ? s->backoff_ns_ * 2 : 8000000;
        if (s->backoff_ns_ > 1000000000) s->backoff_ns_ = 1000000000;
        dx_reactor_timer(r, &s->retry_op_, s->backoff_ns_);
    }
    if (!(flags & DX_REACTOR_F_MORE)) dx_reactor_p_peers_accept(s);
    else if (s->count == s->desc.peers_max) dx_reactor_cancel(r, op);
}

/* A timer. Of ticks: a hand goes round over all peers, a quarter of them in each. */
static void dx_reactor_p_peers_timed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_reactor_peers *s = (dx_reactor_peers *)dx_reactor_op_user(op);
    const bool ticks = op == &s->tick_op_;
    uint32_t left = ticks ? s->peers_used_ / 4 + 1 : s->peers_used_;
    (void)r, (void)flags;
    if (op == &s->retry_op_) dx_reactor_p_peers_accept(s);
    if (op == &s->retry_op_ || result < 0) return;
    if (ticks) s->tick_++;
    while (left--) {
        dx_reactor_p_peer *p = dx_reactor_p_peer_at(s, s->hand_);
        uint32_t most = s->idle_ticks_;
        s->hand_ = s->hand_ + 1 < s->peers_used_ ? s->hand_ + 1 : 0;
        if ((p->flags & DX_REACTOR_P_IS_SHUT) && s->linger_ticks_) most = s->linger_ticks_;
        if ((p->flags & DX_REACTOR_P_IS_OPEN) &&
            (!ticks || (most && (uint16_t)(s->tick_ - p->tick) > most)))
            dx_reactor_p_peer_abort(s, p, -ETIMEDOUT);
    }
    dx_reactor_p_peers_clock(s);
}

/* Defaults and sizes. 0: a field is out of its range. */
static size_t dx_reactor_p_peers_plan(dx_reactor_peers *s, const dx_reactor_peers_desc *desc)
{
    const uint32_t most = (uint32_t)1 << 24;
    dx_reactor_peers_desc *d = &s->desc;
    uint64_t high, size, tick;
    DX_REACTOR_MEMSET(s, 0, sizeof *s);
    *d = *desc;
    d->peers_max = desc->peers_max ? desc->peers_max : 1024;
    d->blocks = desc->blocks ? desc->blocks : 256;
    d->block_size = desc->block_size ? desc->block_size : 16384;
    high = desc->high ? desc->high : (uint64_t)4 * d->block_size;
    d->high = (uint32_t)high;
    tick = d->linger_ns && (!d->idle_ns || d->linger_ns < d->idle_ns) ? d->linger_ns : d->idle_ns;
    s->tick_ns_ = tick / 16 < 1000000 ? 1000000 : tick / 16;
    if (d->peers_max > most || d->blocks > most || d->block_size > most || high > INT32_MAX ||
        !d->received || d->idle_ns / s->tick_ns_ > 32000 ||
        d->linger_ns / s->tick_ns_ > 32000)
        return 0;
    s->idle_ticks_ = (uint32_t)((d->idle_ns + s->tick_ns_ - 1) / s->tick_ns_);
    s->linger_ticks_ = (uint32_t)((d->linger_ns + s->tick_ns_ - 1) / s->tick_ns_);
    s->stride_ = (sizeof(dx_reactor_p_block) + d->block_size + DX_REACTOR_P_ALIGN - 1) /
                 DX_REACTOR_P_ALIGN * DX_REACTOR_P_ALIGN;
    size = (uint64_t)d->peers_max * sizeof(dx_reactor_p_peer) + DX_REACTOR_P_ALIGN +
           (uint64_t)d->blocks * s->stride_;
    return size == (size_t)size ? (size_t)size : 0;
}

DX_REACTOR_API size_t dx_reactor_peers_memory_size(const dx_reactor_peers_desc *desc)
{
    dx_reactor_peers s;
    return desc ? dx_reactor_p_peers_plan(&s, desc) : 0;
}

DX_REACTOR_API int dx_reactor_peers_open(dx_reactor_peers *s, dx_reactor *r,
                                         const dx_reactor_peers_desc *desc)
{
    size_t size;
    if (!s || !r || !r->open_ || !r->buffers_ || !desc) return DX_REACTOR_EINVAL;
    size = dx_reactor_p_peers_plan(s, desc);
    if (!size) return DX_REACTOR_EINVAL;
    if (!desc->memory || desc->memory_size < size) return DX_REACTOR_ENOMEM;
    s->blocks_ = (uint8_t *)desc->memory;
    s->blocks_ += (0 - (uintptr_t)desc->memory) % DX_REACTOR_P_ALIGN;
    s->peers_ = s->blocks_ + (size_t)s->desc.blocks * s->stride_;
    s->reactor = r;
    s->blocks_left_ = s->desc.blocks;
    s->listening_ = -1;
    dx_reactor_op_init(&s->accept_op_, dx_reactor_p_peers_accepted, s);
    dx_reactor_op_init(&s->retry_op_, dx_reactor_p_peers_timed, s);
    dx_reactor_op_init(&s->tick_op_, dx_reactor_p_peers_timed, s);
    dx_reactor_op_init(&s->drain_op_, dx_reactor_p_peers_timed, s);
    s->next_ = (dx_reactor_peers *)r->peers_;
    r->peers_ = s;
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_peers_listen(dx_reactor_peers *s, int fd)
{
    if (!s || fd < 0 || s->listening_ >= 0) return DX_REACTOR_EINVAL;
    s->listening_ = fd;
    dx_reactor_p_peers_accept(s);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_peers_add(dx_reactor_peers *s, int fd,
                                        const dx_reactor_address *address, dx_reactor_peer *id)
{
    dx_reactor_p_peer *p = NULL;
    if (!s || fd < 0 || !id) return DX_REACTOR_EINVAL;
    p = dx_reactor_p_peer_new(s, fd);
    if (!p) return DX_REACTOR_EAGAIN;
    *id = dx_reactor_p_peer_id(s, p);
    if (!address) dx_reactor_p_peer_receive(s, p);
    else if (dx_reactor_connect(s->reactor, &p->op, fd, address) != DX_REACTOR_OK)
        dx_reactor_p_peer_abort(s, p, s->reactor->closing_ ? -ECANCELED : -ENOBUFS);
    return DX_REACTOR_OK;
}

DX_REACTOR_API void dx_reactor_peers_drain(dx_reactor_peers *s, uint64_t within_ns)
{
    uint32_t i;
    s->draining_ = true;
    dx_reactor_cancel(s->reactor, &s->accept_op_);
    dx_reactor_cancel(s->reactor, &s->retry_op_);
    for (i = 0; i < s->peers_used_; i++)
        dx_reactor_peer_close(s, dx_reactor_p_peer_id(s, dx_reactor_p_peer_at(s, i)), false);
    if (s->count && !dx_reactor_op_pending(&s->drain_op_))
        dx_reactor_timer(s->reactor, &s->drain_op_, within_ns);
}

/* The peer, when `size` bytes of output may be queued now. */
static int dx_reactor_p_peer_admit(dx_reactor_peers *s, dx_reactor_peer id, uint32_t size,
                                   dx_reactor_p_peer **out)
{
    dx_reactor_p_peer *p = *out = dx_reactor_p_peer_find(s, id, DX_REACTOR_P_IS_CLOSING);
    if (!p) return s ? DX_REACTOR_ENOTFOUND : DX_REACTOR_EINVAL;
    if (p->flags & DX_REACTOR_P_IS_LAST) return DX_REACTOR_ECANCELED;
    if (size > (uint64_t)s->desc.blocks * s->desc.block_size) return DX_REACTOR_ETOOBIG;
    if (!(p->flags & DX_REACTOR_P_IS_FULL) &&
        size <= (uint64_t)s->blocks_left_ * s->desc.block_size)
        return DX_REACTOR_OK;
    if (p->out) dx_reactor_p_peer_pause(s, p);
    else dx_reactor_p_peer_abort(s, p, -ENOBUFS); /* nothing would say when there are blocks */
    return p->out ? DX_REACTOR_EAGAIN : DX_REACTOR_ENOSPACE;
}

/* The limit is half of what is left, at most: however many do not read, there is something for the
   next one (Choudhury, Hahne 1998). */
static void dx_reactor_p_peer_queue(dx_reactor_peers *s, dx_reactor_p_peer *p, uint32_t size)
{
    const uint64_t half = (uint64_t)s->blocks_left_ * s->desc.block_size / 2;
    dx_reactor_p_block *b = dx_reactor_p_block_at(s, p->out);
    b->queued += size;
    dx_reactor_p_peer_dirty(s, p);
    if (b->queued >= s->desc.high || b->queued >= half) dx_reactor_p_peer_pause(s, p);
}

DX_REACTOR_API int dx_reactor_peer_send(dx_reactor_peers *s, dx_reactor_peer id, const void *data,
                                        uint32_t size)
{
    dx_reactor_p_peer *p = NULL;
    int error = !data && size ? DX_REACTOR_EINVAL : dx_reactor_p_peer_admit(s, id, size, &p);
    if (error || !size) return error;
    dx_reactor_p_chain_put(s, &p->out, (const uint8_t *)data, size);
    dx_reactor_p_peer_queue(s, p, size);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_peer_reserve(dx_reactor_peers *s, dx_reactor_peer id, uint32_t size,
                                           uint8_t **out)
{
    dx_reactor_p_peer *p = NULL;
    dx_reactor_p_block *b;
    int error = !out || !size ? DX_REACTOR_EINVAL : dx_reactor_p_peer_admit(s, id, size, &p);
    if (error) return error;
    if (size > s->desc.block_size) return DX_REACTOR_ETOOBIG;
    b = dx_reactor_p_chain_room(s, &p->out, size);
    *out = dx_reactor_p_block_bytes(b, b->used);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_peer_commit(dx_reactor_peers *s, dx_reactor_peer id, uint32_t size)
{
    dx_reactor_p_peer *p = dx_reactor_p_peer_find(s, id, DX_REACTOR_P_IS_CLOSING);
    dx_reactor_p_block *b = p && p->out ? dx_reactor_p_block_at(s, p->out) : NULL;
    if (!p) return s ? DX_REACTOR_ENOTFOUND : DX_REACTOR_EINVAL;
    if (!b || size > s->desc.block_size - b->used) return DX_REACTOR_EINVAL;
    b->used += size;
    if (size) dx_reactor_p_peer_queue(s, p, size);
    else if (!b->queued) dx_reactor_p_chain_pop(s, &p->out, p->out);
    return DX_REACTOR_OK;
}

DX_REACTOR_API int dx_reactor_peer_close(dx_reactor_peers *s, dx_reactor_peer id, bool now)
{
    dx_reactor_p_peer *p = dx_reactor_p_peer_find(s, id, DX_REACTOR_P_IS_CLOSING);
    if (!p) return s ? DX_REACTOR_ENOTFOUND : DX_REACTOR_EINVAL;
    p->flags |= DX_REACTOR_P_IS_LAST;
    if (now) dx_reactor_p_peer_abort(s, p, 0);
    else dx_reactor_p_peer_conclude(s, p);
    return DX_REACTOR_OK;
}

DX_REACTOR_API uint64_t *dx_reactor_peer_data(const dx_reactor_peers *s, dx_reactor_peer id)
{
    dx_reactor_p_peer *p = dx_reactor_p_peer_find(s, id, 0);
    return p ? &p->op.user_data : NULL;
}

DX_REACTOR_API int dx_reactor_peer_fd(const dx_reactor_peers *s, dx_reactor_peer id)
{
    const dx_reactor_p_peer *p = dx_reactor_p_peer_find(s, id, 0);
    return p ? p->op.fd_ : -1;
}
#endif
