/*  dx_bulk.h - one object over many connections, above dx_hbtp.h: bytes in and out; no descriptor,
             no clock, no allocation

    #define DX_HBTP_IMPLEMENTATION
    #include "dx_hbtp.h"
    #include "dx_bulk.h"

    For the file of a program that holds the implementation of dx_hbtp.h: it uses the header's small
    helpers. C99. Format: docs/formats/hbtp.md, section 10; dx_bulk_net.h drives it on TCP.
    Functions return dx_hbtp_error.
*/
#ifndef DX_HBTP_BULK_H
#define DX_HBTP_BULK_H

#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
  #define DX_BULK_API static __attribute__((unused))
#else
  #define DX_BULK_API static
#endif

/* >>bulk --------------------------------------------------------------- */
/* One object over 1..256 connections, from a sender to a receiver (hbtp.md, part 10). Chunks
   may come in any order, twice, or be lost with their connection: the object arrives whole and
   verified, or the transfer fails. One thread a transfer. Both sides, whoever opened a connection:
       it is there             number = dx_hbtp_bulk_open(); each side counts its own
       bytes arrived           dx_hbtp_bulk_feed(); keep what it did not consume, append to it
       then, and if writable   dx_hbtp_bulk_next() until 0: pieces to be sent, each whole
       dx_hbtp_bulk_wake()     the same for every connection
       it is lost              dx_hbtp_bulk_drop(): what was on its way goes to others */
enum {
    DX_HBTP_OP_BULK_OFFER = 0x0150, DX_HBTP_OP_BULK_HAVE = 0x0151, DX_HBTP_OP_BULK_END = 0x0152,
    DX_HBTP_BULK_CONNECTIONS_MAX = 256,
    DX_HBTP_BULK_CHUNK_MAX       = 1048576,
    DX_HBTP_BULK_HEAD_SIZE       = 96, /* at most, before the data of a piece */
    DX_HBTP_BULK_PLACE_SIZE      = 24, /* before the data of a chunk */
    DX_HBTP_BULK_STATE_SIZE      = 60, /* of a stored state, beside one bit a chunk */
    DX_HBTP_BULK_WRONG_HASH      = 422 /* status: the object is not what was announced */
};

typedef enum dx_hbtp_bulk_state {
    DX_HBTP_BULK_WAITING, /* for the offer, for the answer to it */
    DX_HBTP_BULK_RUNNING,
    DX_HBTP_BULK_WHOLE,   /* all chunks have arrived; the receiver calls dx_hbtp_bulk_verify() */
    DX_HBTP_BULK_DONE,    /* the receiver has verified the object, and the sender knows it */
    DX_HBTP_BULK_FAILED   /* for good; `error` says why */
} dx_hbtp_bulk_state;

typedef struct dx_hbtp_bulk_object {
    uint64_t size;       /* bytes; may be 0 */
    uint32_t chunk_size; /* bytes, up to 1 MiB; 0: 256 KiB, under 64 MiB less, down to 16 KiB */
    uint32_t transfer;   /* number that no other unfinished transfer of the sender has */
    uint8_t  hash[32];   /* of the whole object; which hash: the program's. All 0: none */
} dx_hbtp_bulk_object;

typedef struct dx_hbtp_bulk_metrics {
    uint64_t bytes, bytes_done; /* data sent or received: with repeats; each byte once */
    uint64_t began_ns;          /* first connection: bytes_done since then is the throughput */
    uint64_t in_flight;         /* sender: chunks on their way, of window * connections */
    uint64_t chunks_resent, chunks_lost, chunks_duplicate; /* lost: with their connections */
    uint64_t bad_checksums, bad_frames, timeouts;          /* errors by kind */
    uint64_t latency[15]; /* chunks acknowledged within 0.1 ms * 2^k; the last: and all others */
    uint32_t opened, dropped, connections; /* connections: in all; lost or closed; now */
} dx_hbtp_bulk_metrics;

typedef struct dx_hbtp_bulk_desc { /* zero = the default written behind each field */
    void       *memory;          /* dx_hbtp_bulk_memory_size() bytes, aligned to 8; borrowed */
    size_t      memory_size;
    void       *user;            /* for the functions */
    uint32_t    max_connections; /* 32; up to 256 */
    uint64_t    timeout_ns;      /* a connection that owes us something is given up when it was
                                    silent for so long; 60 s. After a sixth a sender sends a Ping */
    /* Sender: the object, copied; its bytes, valid until the next call (NULL: FAILED, ESYS) */
    const dx_hbtp_bulk_object *object;
    const void *(*read)(void *user, uint64_t offset, uint32_t size);
    uint32_t    window;          /* chunks on their way on one connection; 64 */
    uint64_t    rate;            /* bytes a second, all connections together; unlimited */
    uint64_t    burst_ns;        /* what was not sent for so long can be made up for; 20 ms */
    bool        patient;         /* false: sends a chunk on each connection before the receiver has
                                    said what it has. true is better for resumed transfers */
    /* Receiver: store a checked chunk, each once (not 0: FAILED, ESYS); take this object? 0: yes,
       400..599: no, with this status (NULL: all) */
    int       (*write)(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size);
    int       (*accept)(void *user, const dx_hbtp_bulk_object *object);
    uint32_t    max_chunks;      /* of an object; 65,536 */
} dx_hbtp_bulk_desc;

typedef struct dx_hbtp_bulk_piece { /* head, then data, both whole, before the next piece */
    uint8_t     head[DX_HBTP_BULK_HEAD_SIZE];
    uint32_t    head_size, data_size;
    const void *data;               /* from read() */
} dx_hbtp_bulk_piece;

typedef struct dx_hbtp_bulk { /* caller-allocated; without "_": to be read */
    dx_hbtp_bulk_state      state;
    int                     error;   /* FAILED: EREMOTE (the other side gave up), ECANCELED (we
                                        did), ECORRUPT (wrong hash), ESYS */
    uint16_t                status;  /* as it travelled */
    bool                    known;   /* `object` is: to be sent, offered, or from a stored state */
    dx_hbtp_bulk_object     object;
    uint64_t                front;   /* bytes of it that arrived from its front on, without a gap */
    dx_hbtp_bulk_metrics    metrics;
    dx_hbtp_bulk_desc       desc_;
    struct dx_hbtp_p_link  *links_;
    struct dx_hbtp_p_chunk *chunks_; /* sender */
    uint8_t                *bitmap_; /* receiver */
    uint64_t                paid_ns_, stop_ns_, looked_ns_;
    uint32_t                count_, done_, next_, first_;
} dx_hbtp_bulk;

/* 40 bytes a connection; 8 bytes (sender) or a bit (receiver: of max_chunks) a chunk. 0: EINVAL. */
DX_BULK_API size_t dx_hbtp_bulk_memory_size(const dx_hbtp_bulk_desc *desc);
/* EINVAL, ENOMEM. */
DX_BULK_API int dx_hbtp_bulk_init(dx_hbtp_bulk *b, const dx_hbtp_bulk_desc *desc);
/* The number of a new connection, the lowest that is free. EAGAIN: max_connections are open. */
DX_BULK_API int dx_hbtp_bulk_open(dx_hbtp_bulk *b, uint64_t now_ns);
/* EINVAL, here and below: no such connection. */
DX_BULK_API int dx_hbtp_bulk_drop(dx_hbtp_bulk *b, int connection);
/* Sender: no new chunks for this connection. Once none is on its way, next() says ECANCELED. */
DX_BULK_API int dx_hbtp_bulk_retire(dx_hbtp_bulk *b, int connection);
/* What arrived, from the first byte that was not consumed. Returns the bytes consumed, whole frames
   (a receiver's buffer holds chunk_size + 28 bytes, a sender's 96), or an error of this connection:
   send what next() gives, close it, drop it. ECORRUPT, ETRUNCATED, EVERSION, ETOOBIG, ENOTSUP
   (refused), ENOTFOUND (not a frame of this transfer), ECANCELED (FAILED), ESYS. */
DX_BULK_API int64_t dx_hbtp_bulk_feed(dx_hbtp_bulk *b, int connection, const void *bytes,
                                      size_t size, uint64_t now_ns);
/* The same for one frame, Extended resolved, where transfers, or a session, share a connection. */
DX_BULK_API int dx_hbtp_bulk_frame(dx_hbtp_bulk *b, int connection, const dx_hbtp_frame *frame,
                                   uint64_t now_ns);
/* For receivers that let data land where they belong. `head` are the first PLACE_SIZE bytes of a
   frame: 1: it brings *size bytes that belong at *offset. Receive them there, and ask again before
   each receive: on 0 they have come another way, and the rest goes elsewhere. When all are there,
   with `data` the place where they began, dx_hbtp_bulk_placed(), as dx_hbtp_bulk_feed() but without
   write(). 0 at first: a frame for dx_hbtp_bulk_feed(). */
DX_BULK_API int dx_hbtp_bulk_place(dx_hbtp_bulk *b, int connection, const uint8_t *head,
                                   uint64_t now_ns, uint64_t *offset, uint32_t *size);
DX_BULK_API int dx_hbtp_bulk_placed(dx_hbtp_bulk *b, int connection, const uint8_t *head,
                                    const uint8_t *data, uint64_t now_ns);
/* 1: *piece is to be sent; 0: nothing now; ETIMEDOUT, ECANCELED (retired): close and drop it. */
DX_BULK_API int dx_hbtp_bulk_next(dx_hbtp_bulk *b, int connection, uint64_t now_ns,
                                  dx_hbtp_bulk_piece *piece);
/* When to call next() for all connections again, at the latest. UINT64_MAX: it is over. */
DX_BULK_API uint64_t dx_hbtp_bulk_wake(const dx_hbtp_bulk *b, uint64_t now_ns);
/* Is all well: are half of the `wanted` connections open, and half of those that are open healthy?
   One that owes us something and was silent for a third of timeout_ns is not. *healthy: how many
   are. EAGAIN: no. Nothing is sent or read for it. */
DX_BULK_API int dx_hbtp_bulk_health(const dx_hbtp_bulk *b, uint32_t wanted, uint64_t now_ns,
                                    uint32_t *healthy);
/* Give up with a status (400..599): no new chunks; once none is on its way, after grace_ns at the
   latest, FAILED: ECANCELED here, EREMOTE there. ECANCELED: it is over already. */
DX_BULK_API int dx_hbtp_bulk_stop(dx_hbtp_bulk *b, uint16_t status, uint64_t grace_ns,
                                  uint64_t now_ns);
/* Receiver, WHOLE: has what you stored the hash of `object`? true: DONE, false: FAILED. */
DX_BULK_API int dx_hbtp_bulk_verify(dx_hbtp_bulk *b, bool equal);
/* Receiver: what has arrived, STATE_SIZE + (chunks + 7) / 8 bytes; make the object's bytes durable
   before them. Returns their number; ENOSPACE; ENOTFOUND: no object is known. Loaded into a fresh
   receiver, an offer of the same object (size, chunk size, a hash that is not 0) goes on from
   there, any other starts with nothing. ECORRUPT, ETRUNCATED, EVERSION, ETOOBIG. */
DX_BULK_API int64_t dx_hbtp_bulk_save(const dx_hbtp_bulk *b, void *bytes, size_t capacity);
DX_BULK_API int dx_hbtp_bulk_load(dx_hbtp_bulk *b, const void *bytes, size_t size);

/* How many connections are best: tries twice as many, later half as many, and keeps what moves
   over 5 % more, or with half as many at most 2 % less. Whoever opens connections uses it. */
typedef struct dx_hbtp_bulk_control { /* zero and set these: zero = the default behind it */
    uint32_t least, most; /* 16, 256 */
    uint32_t count;       /* how many there should be now; to begin with: 32 */
    uint64_t interval_ns; /* several round trips; 1 s */
    uint64_t retry_ns;    /* no new connection before this time */
    uint32_t failures;    /* in a row */
    uint64_t due_ns_, from_ns_, bytes_, rate_;
    uint32_t kept_, pause_, patience_;
    bool     fewer_, settling_;
} dx_hbtp_bulk_control;

/* Often, with metrics.bytes_done. Returns count: open more, or retire the slowest. */
DX_BULK_API uint32_t dx_hbtp_bulk_control_update(dx_hbtp_bulk_control *c, uint64_t bytes_done,
                                                 uint64_t now_ns);
/* A connection was opened, or could not be or broke: then wait 100 ms, twice as long each time, 5 s
   at most. ETIMEDOUT: three failures in a row, give up. */
DX_BULK_API int dx_hbtp_bulk_control_event(dx_hbtp_bulk_control *c, bool opened, uint64_t now_ns);
/* A first guess: Mbit/s / (ms * 0.1), within the limits; `least` where either is not known (0). */
DX_BULK_API uint32_t dx_hbtp_bulk_guess(uint64_t bits_per_second, uint64_t latency_ns,
                                        uint32_t least, uint32_t most);

/* >>bulk transfer ------------------------------------------------------ */
struct dx_hbtp_p_chunk { /* of a sender */
    uint32_t sent;       /* when, in units of 2^14 ns */
    uint16_t owner;      /* 1 + the connection on which it is on its way; 0: none */
    bool     arrived, again;
};

struct dx_hbtp_p_link {  /* a connection */
    uint64_t heard_ns;
    uint64_t took_ns;    /* sender: a chunk, from here to its acknowledgement, on average */
    uint32_t flying;     /* sender: chunks on their way */
    uint32_t from, to;   /* receiver: chunks to be reported */
    uint32_t placing;    /* receiver: 1 + the chunk that is landing in its place; 0: none */
    uint16_t status;     /* receiver: the offer was refused */
    bool     used, offered, accepted, probed, retiring, closed;
};

/* The number of chunks of an object; its chunk_size is chosen where it is 0. False: too many. */
static bool dx_hbtp_p_bulk_shape(dx_hbtp_bulk_object *o, uint32_t *count)
{
    uint64_t n = o->chunk_size ? o->chunk_size : 262144;
    while (!o->chunk_size && n > 16384 && o->size / n < 256) n /= 2;
    o->chunk_size = (uint32_t)n;
    n = o->size / n + (o->size % n != 0);
    *count = (uint32_t)n;
    return n <= 0x7fffffff && o->chunk_size <= DX_HBTP_BULK_CHUNK_MAX;
}

static uint32_t dx_hbtp_p_chunk_size(const dx_hbtp_bulk *b, uint32_t chunk)
{
    uint64_t left = b->object.size - (uint64_t)chunk * b->object.chunk_size;
    return left < b->object.chunk_size ? (uint32_t)left : b->object.chunk_size;
}

static bool dx_hbtp_p_arrived(const dx_hbtp_bulk *b, uint32_t chunk)
{
    if (b->chunks_) return b->chunks_[chunk].arrived;
    return (b->bitmap_[chunk >> 3] >> (chunk & 7) & 1) != 0;
}

/* A chunk is there. It counts once; a sender learns how long it took. */
static void dx_hbtp_p_arrive(dx_hbtp_bulk *b, uint32_t chunk, uint64_t now_ns)
{
    struct dx_hbtp_p_chunk *c = b->chunks_ ? &b->chunks_[chunk] : NULL;
    if (dx_hbtp_p_arrived(b, chunk)) return;
    if (c) c->arrived = true;
    else b->bitmap_[chunk >> 3] |= (uint8_t)(1u << (chunk & 7));
    if (b->state < DX_HBTP_BULK_DONE) b->metrics.bytes_done += dx_hbtp_p_chunk_size(b, chunk);
    if (++b->done_ == b->count_ && b->state == DX_HBTP_BULK_RUNNING) b->state = DX_HBTP_BULK_WHOLE;
    for (; b->first_ < b->count_ && dx_hbtp_p_arrived(b, b->first_); b->first_++)
        if (b->state < DX_HBTP_BULK_DONE) b->front += dx_hbtp_p_chunk_size(b, b->first_);
    if (c && c->owner) {
        struct dx_hbtp_p_link *l = &b->links_[c->owner - 1];
        uint64_t took = (uint64_t)((uint32_t)(now_ns >> 14) - c->sent) << 14, limit = 100000;
        uint64_t *bucket = b->metrics.latency;
        for (; bucket < b->metrics.latency + 14 && took > limit; bucket++) limit *= 2;
        ++*bucket;
        l->took_ns = l->took_ns ? l->took_ns - l->took_ns / 4 + took / 4 : took + 1;
        l->flying--;
        b->metrics.in_flight--;
    }
}

static int dx_hbtp_p_bulk_fail(dx_hbtp_bulk *b, int error, uint16_t status)
{
    if (b->state >= DX_HBTP_BULK_DONE) return error;
    b->state = DX_HBTP_BULK_FAILED;
    b->status = status;
    return b->error = error;
}

static struct dx_hbtp_p_link *dx_hbtp_p_link(const dx_hbtp_bulk *b, int connection)
{
    if (!b || connection < 0 || (uint32_t)connection >= b->desc_.max_connections) return NULL;
    return b->links_[connection].used ? &b->links_[connection] : NULL;
}

/* When a connection will have been silent for too long. A receiver always waits for something. */
static uint64_t dx_hbtp_p_link_due(const dx_hbtp_bulk *b, const struct dx_hbtp_p_link *l)
{
    bool waits = b->bitmap_ || l->flying || l->probed || !l->accepted;
    return b->state < DX_HBTP_BULK_DONE && waits ? l->heard_ns + b->desc_.timeout_ns : UINT64_MAX;
}

/* Fill in the defaults. Returns the size of links and chunk states, 0: a limit is broken. */
static size_t dx_hbtp_p_bulk_plan(dx_hbtp_bulk *b, const dx_hbtp_bulk_desc *desc)
{
    dx_hbtp_bulk_desc *d = &b->desc_;
    uint64_t size;
    memset(b, 0, sizeof *b);
    if (!desc || (desc->write ? desc->object != NULL : !desc->object || !desc->read)) return 0;
    *d = *desc;
    if (!d->max_connections) d->max_connections = 32;
    if (!d->timeout_ns) d->timeout_ns = 60000000000u;
    if (!d->window) d->window = 64;
    if (!d->burst_ns) d->burst_ns = 20000000u;
    b->count_ = d->max_chunks ? d->max_chunks : 65536;
    d->max_chunks = b->count_;
    if (d->object) b->object = *d->object;
    if (d->max_connections > DX_HBTP_BULK_CONNECTIONS_MAX || d->max_chunks > INT32_MAX ||
        (d->object && !dx_hbtp_p_bulk_shape(&b->object, &b->count_)))
        return 0;
    size = d->write ? ((uint64_t)b->count_ + 7) / 8
                    : ((uint64_t)b->count_ + 1) * sizeof(struct dx_hbtp_p_chunk);
    size += d->max_connections * sizeof(struct dx_hbtp_p_link);
    return size <= SIZE_MAX / 2 ? (size_t)size : 0;
}

DX_BULK_API size_t dx_hbtp_bulk_memory_size(const dx_hbtp_bulk_desc *desc)
{
    dx_hbtp_bulk b;
    return dx_hbtp_p_bulk_plan(&b, desc);
}

DX_BULK_API int dx_hbtp_bulk_init(dx_hbtp_bulk *b, const dx_hbtp_bulk_desc *desc)
{
    size_t size = b ? dx_hbtp_p_bulk_plan(b, desc) : 0;
    if (!size || !desc->memory || ((uintptr_t)desc->memory & 7)) return DX_HBTP_EINVAL;
    if (desc->memory_size < size) return DX_HBTP_ENOMEM;
    memset(desc->memory, 0, size);
    b->links_ = (struct dx_hbtp_p_link *)desc->memory;
    if (desc->write) b->bitmap_ = (uint8_t *)(b->links_ + b->desc_.max_connections);
    else b->chunks_ = (struct dx_hbtp_p_chunk *)(void *)(b->links_ + b->desc_.max_connections);
    b->known = !desc->write;
    b->stop_ns_ = UINT64_MAX;
    return DX_HBTP_OK;
}

DX_BULK_API int dx_hbtp_bulk_open(dx_hbtp_bulk *b, uint64_t now_ns)
{
    uint32_t i = 0;
    if (!b) return DX_HBTP_EINVAL;
    while (i < b->desc_.max_connections && b->links_[i].used) i++;
    if (i == b->desc_.max_connections) return DX_HBTP_EAGAIN;
    memset(&b->links_[i], 0, sizeof *b->links_);
    b->links_[i].used = true;
    b->links_[i].heard_ns = now_ns;
    if (!b->metrics.opened++) b->metrics.began_ns = now_ns;
    b->metrics.connections++;
    return (int)i;
}

DX_BULK_API int dx_hbtp_bulk_drop(dx_hbtp_bulk *b, int connection)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    uint32_t i;
    if (!l) return DX_HBTP_EINVAL;
    for (i = b->first_; l->flying; i++) {
        if (b->chunks_[i].owner != connection + 1 || b->chunks_[i].arrived) continue;
        b->chunks_[i].owner = 0;
        l->flying--;
        b->metrics.in_flight--;
        b->metrics.chunks_lost++;
        if (i < b->next_) b->next_ = i;
    }
    l->used = false;
    b->metrics.connections--;
    b->metrics.dropped++;
    return DX_HBTP_OK;
}

DX_BULK_API int dx_hbtp_bulk_retire(dx_hbtp_bulk *b, int connection)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    if (l && b->chunks_) l->retiring = true;
    return l && b->chunks_ ? DX_HBTP_OK : DX_HBTP_EINVAL;
}

/* >>bulk output -------------------------------------------------------- */
/* The chunk to be sent next; count_: none. When everything was sent, but others still have some on
   their way: the oldest of these, if it has taken twice as long already as it would here. */
static uint32_t dx_hbtp_p_choose(dx_hbtp_bulk *b, const struct dx_hbtp_p_link *l, uint64_t now_ns)
{
    uint32_t now = (uint32_t)(now_ns >> 14), oldest = (uint32_t)(l->took_ns >> 13), i, found;
    if (b->stop_ns_ != UINT64_MAX || b->state > DX_HBTP_BULK_RUNNING || l->retiring ||
        (b->desc_.rate && b->paid_ns_ > now_ns + b->desc_.burst_ns) ||
        (b->state == DX_HBTP_BULK_WAITING ? b->desc_.patient || l->flying
                                          : l->flying >= b->desc_.window))
        return b->count_;
    while (b->next_ < b->count_ && (b->chunks_[b->next_].arrived || b->chunks_[b->next_].owner))
        b->next_++;
    found = b->next_;
    if (found < b->count_ || !l->took_ns || now_ns < b->looked_ns_ + 2000000u) return found;
    b->looked_ns_ = now_ns; /* this looks at all chunks, so not too often */
    for (i = b->first_; i < b->count_; i++) {
        const struct dx_hbtp_p_chunk *c = &b->chunks_[i];
        if (c->arrived || &b->links_[c->owner - 1] == l || now - c->sent <= oldest) continue;
        oldest = now - c->sent;
        found = i;
    }
    return found;
}

static bool dx_hbtp_p_send_chunk(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, uint32_t chunk,
                                uint64_t now_ns, dx_hbtp_bulk_piece *piece)
{
    struct dx_hbtp_p_chunk *c = &b->chunks_[chunk];
    uint64_t offset = (uint64_t)chunk * b->object.chunk_size;
    uint32_t size = dx_hbtp_p_chunk_size(b, chunk);
    piece->head_size = DX_HBTP_HEADER_SIZE + DX_HBTP_FILE_CHUNK_PREFIX;
    piece->data_size = size;
    piece->data = b->desc_.read(b->desc_.user, offset, size);
    if (!piece->data) return dx_hbtp_p_bulk_fail(b, DX_HBTP_ESYS, DX_HBTP_STATUS_INTERNAL) == 0;
    memset(piece->head, 0, piece->head_size);
    piece->head[0] = DX_HBTP_OP_FILE_CHUNK;
    piece->head[1] = chunk + 1 == b->count_ ? DX_HBTP_FLAG_FINAL : 0;
    dx_hbtp_p_store32(piece->head + 4, DX_HBTP_FILE_CHUNK_PREFIX + size);
    dx_hbtp_p_store32(piece->head + 8, b->object.transfer);
    dx_hbtp_p_store32(piece->head + 12, DX_HBTP_CRC32C(0, (const uint8_t *)piece->data, size));
    dx_hbtp_p_store64(piece->head + 16, offset);
    if (dx_hbtp_p_link_due(b, l) == UINT64_MAX) l->heard_ns = now_ns; /* waits from now on */
    if (c->owner) b->links_[c->owner - 1].flying--;
    else b->metrics.in_flight++;
    if (c->again) b->metrics.chunks_resent++;
    c->again = true;
    c->owner = (uint16_t)(l - b->links_ + 1);
    c->sent = (uint32_t)(now_ns >> 14);
    l->flying++;
    b->metrics.bytes += size;
    if (b->paid_ns_ < now_ns) b->paid_ns_ = now_ns;
    if (b->desc_.rate) b->paid_ns_ += (uint64_t)size * 1000000000u / b->desc_.rate + 1;
    return true;
}

/* A piece that is one control frame: a field, the transfer, more; or an empty Ping or Pong. */
static int dx_hbtp_p_control(const dx_hbtp_bulk *b, dx_hbtp_bulk_piece *piece, uint16_t opcode,
                             unsigned field, const uint8_t *more, size_t size)
{
    uint8_t head[8];
    dx_hbtp_out out;
    dx_hbtp_p_store16(head, opcode);
    dx_hbtp_p_store16(head + 2, (uint16_t)field);
    dx_hbtp_p_store32(head + 4, b->object.transfer);
    dx_hbtp_out_init(&out, piece->head, sizeof piece->head);
    dx_hbtp_p_write(&out, dx_hbtp_p_word(opcode, DX_HBTP_FLAG_HAS_CHECKSUM, 0), head,
                    opcode <= DX_HBTP_OP_PONG ? 0 : sizeof head, more, size);
    piece->head_size = (uint32_t)out.used_;
    piece->data_size = 0;
    return 1;
}

static int dx_hbtp_p_send(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, uint64_t now_ns,
                          dx_hbtp_bulk_piece *piece)
{
    uint8_t offer[48];
    uint32_t chunk;
    if (b->stop_ns_ != UINT64_MAX && (!b->metrics.in_flight || now_ns >= b->stop_ns_))
        dx_hbtp_p_bulk_fail(b, DX_HBTP_ECANCELED, b->status);
    if (b->state < DX_HBTP_BULK_DONE && !l->offered) {
        l->offered = true;
        dx_hbtp_p_store32(offer, b->object.chunk_size);
        dx_hbtp_p_store32(offer + 4, 0);
        dx_hbtp_p_store64(offer + 8, b->object.size);
        memcpy(offer + 16, b->object.hash, sizeof b->object.hash);
        return dx_hbtp_p_control(b, piece, DX_HBTP_OP_BULK_OFFER, 1, offer, sizeof offer);
    }
    chunk = dx_hbtp_p_choose(b, l, now_ns);
    if (chunk < b->count_ && dx_hbtp_p_send_chunk(b, l, chunk, now_ns, piece)) return 1;
    if (b->state == DX_HBTP_BULK_FAILED && l->offered && !l->closed) {
        l->closed = true;
        return dx_hbtp_p_control(b, piece, DX_HBTP_OP_BULK_END, b->status, NULL, 0);
    }
    if (b->state >= DX_HBTP_BULK_DONE) return 0;
    if (l->retiring && !l->flying) return DX_HBTP_ECANCELED;
    if (l->probed || now_ns - l->heard_ns < b->desc_.timeout_ns / 6) return 0;
    if (dx_hbtp_p_link_due(b, l) == UINT64_MAX) l->heard_ns = now_ns;
    l->probed = true;
    return dx_hbtp_p_control(b, piece, DX_HBTP_OP_PING, 0, NULL, 0);
}

static int dx_hbtp_p_answer(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, dx_hbtp_bulk_piece *piece)
{
    uint8_t body[4 + 64];
    uint32_t size;
    if (l->offered && (l->from < l->to || !l->accepted)) { /* up to 64 bytes of the bitmap */
        l->from &= ~7u;
        size = (l->to - l->from + 7) / 8 < 64 ? (l->to - l->from + 7) / 8 : 64;
        dx_hbtp_p_store32(body, l->from);
        if (size) memcpy(body + 4, b->bitmap_ + l->from / 8, size);
        l->from += size * 8;
        l->accepted = true;
        return dx_hbtp_p_control(b, piece, DX_HBTP_OP_BULK_HAVE, 0, body, 4 + size);
    }
    if (l->probed) {
        l->probed = false;
        return dx_hbtp_p_control(b, piece, DX_HBTP_OP_PONG, 0, NULL, 0);
    }
    if (l->closed || (!l->status && (b->state < DX_HBTP_BULK_DONE || !l->offered))) return 0;
    l->closed = true;
    return dx_hbtp_p_control(b, piece, DX_HBTP_OP_BULK_END, l->status ? l->status : b->status,
                             NULL, 0);
}

DX_BULK_API int dx_hbtp_bulk_next(dx_hbtp_bulk *b, int connection, uint64_t now_ns,
                                  dx_hbtp_bulk_piece *piece)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    if (!l || !piece) return DX_HBTP_EINVAL;
    if (now_ns >= dx_hbtp_p_link_due(b, l)) {
        b->metrics.timeouts++;
        return DX_HBTP_ETIMEDOUT;
    }
    return b->chunks_ ? dx_hbtp_p_send(b, l, now_ns, piece) : dx_hbtp_p_answer(b, l, piece);
}

DX_BULK_API uint64_t dx_hbtp_bulk_wake(const dx_hbtp_bulk *b, uint64_t now_ns)
{
    uint64_t at = now_ns + b->desc_.timeout_ns / 60;
    if (b->state >= DX_HBTP_BULK_DONE) return UINT64_MAX;
    if (b->chunks_ && b->next_ == b->count_) at = now_ns + 5000000u; /* see overdue */
    else if (b->desc_.rate && b->paid_ns_ > now_ns + b->desc_.burst_ns)
        at = b->paid_ns_ - b->desc_.burst_ns;
    return at < b->stop_ns_ ? at : b->stop_ns_;
}

DX_BULK_API int dx_hbtp_bulk_health(const dx_hbtp_bulk *b, uint32_t wanted, uint64_t now_ns,
                                    uint32_t *healthy)
{
    uint32_t open, i;
    if (!b || !healthy) return DX_HBTP_EINVAL;
    open = b->metrics.connections;
    for (*healthy = i = 0; i < b->desc_.max_connections; i++) {
        const struct dx_hbtp_p_link *l = &b->links_[i];
        const uint64_t due = l->used ? dx_hbtp_p_link_due(b, l) : 0;
        const uint64_t rest = b->desc_.timeout_ns - b->desc_.timeout_ns / 3;
        if (l->used && (due == UINT64_MAX || (due > now_ns && due - now_ns > rest))) ++*healthy;
    }
    return open < wanted / 2 + wanted % 2 || *healthy < open / 2 + open % 2 ? DX_HBTP_EAGAIN
                                                                             : DX_HBTP_OK;
}

/* >>bulk input --------------------------------------------------------- */
static int dx_hbtp_p_on_have(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, const uint8_t *p,
                             uint32_t size, uint64_t now_ns)
{
    uint32_t first = dx_hbtp_p_load32(p + 6), i;
    if (size > 64 || first % 8 || first > b->count_ || dx_hbtp_p_load16(p)) return DX_HBTP_ECORRUPT;
    l->accepted = true;
    if (b->state == DX_HBTP_BULK_WAITING)
        b->state = b->done_ == b->count_ ? DX_HBTP_BULK_WHOLE : DX_HBTP_BULK_RUNNING;
    for (i = 0; i < size * 8; i++) {
        if (!(p[10 + i / 8] >> i % 8 & 1)) continue;
        if (i >= b->count_ - first) return DX_HBTP_ECORRUPT;
        dx_hbtp_p_arrive(b, first + i, now_ns);
    }
    return DX_HBTP_OK;
}

/* The fields of an Offer from its chunk size on; a stored state begins with the same. */
static bool dx_hbtp_p_read_object(const uint8_t *p, dx_hbtp_bulk_object *o, uint32_t *count)
{
    o->chunk_size = dx_hbtp_p_load32(p);
    o->size = dx_hbtp_p_load64(p + 8);
    memcpy(o->hash, p + 16, sizeof o->hash);
    return !dx_hbtp_p_load32(p + 4) && o->chunk_size && dx_hbtp_p_bulk_shape(o, count);
}

/* The first offer decides what is received. */
static int dx_hbtp_p_on_offer(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, const uint8_t *p)
{
    dx_hbtp_bulk_object o;
    uint32_t count = 0, any = 0, i;
    int no = 0;
    o.transfer = dx_hbtp_p_load32(p + 2);
    if (dx_hbtp_p_load16(p) != 1) return DX_HBTP_EVERSION;
    if (l->offered && o.transfer != b->object.transfer) return DX_HBTP_ENOTFOUND;
    if (l->offered || !dx_hbtp_p_read_object(p + 6, &o, &count)) return DX_HBTP_ECORRUPT;
    if (b->state != DX_HBTP_BULK_WAITING) {
        if (memcmp(&o, &b->object, sizeof o) != 0) return DX_HBTP_ENOTFOUND;
    } else {
        b->object.transfer = o.transfer; /* that of a stored state may be another */
        if (b->desc_.accept) no = b->desc_.accept(b->desc_.user, &o);
        if (!no && count > b->desc_.max_chunks) no = DX_HBTP_STATUS_TOO_BIG;
        l->status = (uint16_t)no;
        if (no) return no == DX_HBTP_STATUS_TOO_BIG ? DX_HBTP_ETOOBIG : DX_HBTP_ENOTSUP;
        for (i = 0; i < sizeof o.hash; i++) any |= o.hash[i];
        if (!b->known || !any || memcmp(&o, &b->object, sizeof o) != 0) {
            memset(b->bitmap_, 0, ((size_t)count + 7) / 8);
            b->done_ = b->first_ = 0;
            b->front = b->metrics.bytes_done = 0;
        }
        b->known = true;
        b->object = o;
        b->count_ = count;
        b->state = b->done_ == count ? DX_HBTP_BULK_WHOLE : DX_HBTP_BULK_RUNNING;
    }
    l->offered = true;
    l->to = b->done_ ? count : 0;
    return DX_HBTP_OK;
}

/* The chunk that `size` bytes behind this prefix must be. */
static int dx_hbtp_p_which_chunk(const dx_hbtp_bulk *b, const struct dx_hbtp_p_link *l,
                                 const uint8_t *prefix, uint32_t size, unsigned flags,
                                 uint32_t *chunk)
{
    const uint64_t offset = dx_hbtp_p_load64(prefix + 8);
    if (!l->offered || dx_hbtp_p_load32(prefix) != b->object.transfer) return DX_HBTP_ENOTFOUND;
    if (offset >= b->object.size || offset % b->object.chunk_size) return DX_HBTP_ECORRUPT;
    *chunk = (uint32_t)(offset / b->object.chunk_size);
    if (size != dx_hbtp_p_chunk_size(b, *chunk) || dx_hbtp_p_is_opaque((uint8_t)flags) ||
        (*chunk + 1 == b->count_) != ((flags & DX_HBTP_FLAG_FINAL) != 0))
        return DX_HBTP_ECORRUPT;
    return DX_HBTP_OK;
}

/* `payload`: at least the prefix of it; data NULL: they follow, else they lie in their place. */
static int dx_hbtp_p_on_chunk(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l, const uint8_t *payload,
                              const uint8_t *data, uint32_t size, unsigned flags)
{
    const uint8_t *const bytes = data ? data : payload + DX_HBTP_FILE_CHUNK_PREFIX;
    const uint32_t placing = l->placing;
    uint32_t at = 0;
    int error;
    if (size < DX_HBTP_FILE_CHUNK_PREFIX) return DX_HBTP_ETRUNCATED;
    size -= DX_HBTP_FILE_CHUNK_PREFIX;
    error = dx_hbtp_p_which_chunk(b, l, payload, size, flags, &at);
    if (error) return error;
    l->placing = 0;
    b->metrics.bytes += size;
    if (l->from >= l->to) l->from = l->to = at;
    if (l->from > at) l->from = at;
    if (l->to <= at) l->to = at + 1;
    if (dx_hbtp_p_arrived(b, at)) /* a sender has no reason to repeat everything twice */
        return ++b->metrics.chunks_duplicate > 4096 + 2 * (uint64_t)b->count_ ? DX_HBTP_ETOOBIG
                                                                               : DX_HBTP_OK;
    if (data && placing != at + 1) return DX_HBTP_EINVAL;
    if (DX_HBTP_CRC32C(0, bytes, size) != dx_hbtp_p_load32(payload + 4)) {
        b->metrics.bad_checksums++;
        return DX_HBTP_ECORRUPT;
    }
    if (!data && b->desc_.write(b->desc_.user, dx_hbtp_p_load64(payload + 8), bytes, size))
        return dx_hbtp_p_bulk_fail(b, DX_HBTP_ESYS, DX_HBTP_STATUS_INTERNAL);
    dx_hbtp_p_arrive(b, at, 0);
    return DX_HBTP_OK;
}

DX_BULK_API int dx_hbtp_bulk_place(dx_hbtp_bulk *b, int connection, const uint8_t *head,
                                   uint64_t now_ns, uint64_t *offset, uint32_t *size)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    dx_hbtp_header h;
    uint32_t at = 0, i;
    if (!l || !b->bitmap_ || !head || !offset || !size) return DX_HBTP_EINVAL;
    dx_hbtp_parse_header(head, DX_HBTP_HEADER_SIZE, &h);
    if (b->state == DX_HBTP_BULK_FAILED || h.opcode != DX_HBTP_OP_FILE_CHUNK ||
        (h.flags & DX_HBTP_FLAG_HAS_CHECKSUM) || h.length < DX_HBTP_FILE_CHUNK_PREFIX)
        return 0;
    *size = h.length - DX_HBTP_FILE_CHUNK_PREFIX;
    *offset = dx_hbtp_p_load64(head + 16);
    if (dx_hbtp_p_which_chunk(b, l, head + 8, *size, h.flags, &at)) return 0;
    for (i = 0; i < b->desc_.max_connections; i++) /* there may be two on their way */
        if (b->links_[i].used && b->links_[i].placing == at + 1 && &b->links_[i] != l) return 0;
    l->heard_ns = now_ns;
    l->placing = dx_hbtp_p_arrived(b, at) ? 0 : at + 1;
    return l->placing != 0;
}

/* Offer, Have, End: a field, the transfer, more. */
static int dx_hbtp_p_on_control(dx_hbtp_bulk *b, struct dx_hbtp_p_link *l,
                                const dx_hbtp_frame *frame, uint64_t now_ns)
{
    const uint8_t *p = frame->payload;
    uint32_t size = frame->payload_size;
    if (frame->flags != DX_HBTP_FLAG_HAS_CHECKSUM) return DX_HBTP_ECORRUPT;
    if (size < 6) return DX_HBTP_ETRUNCATED;
    if (frame->opcode == DX_HBTP_OP_BULK_OFFER && size == 54 && b->bitmap_)
        return dx_hbtp_p_on_offer(b, l, p);
    if (!l->offered || dx_hbtp_p_load32(p + 2) != b->object.transfer) return DX_HBTP_ENOTFOUND;
    if (frame->opcode == DX_HBTP_OP_BULK_HAVE && size >= 10 && b->chunks_)
        return dx_hbtp_p_on_have(b, l, p, size - 10, now_ns);
    if (frame->opcode != DX_HBTP_OP_BULK_END || size != 6) return DX_HBTP_ECORRUPT;
    if (dx_hbtp_p_load16(p)) dx_hbtp_p_bulk_fail(b, DX_HBTP_EREMOTE, dx_hbtp_p_load16(p));
    else if (b->bitmap_ || !l->accepted) return DX_HBTP_ECORRUPT;
    else if (b->state < DX_HBTP_BULK_DONE) { /* what it said of the last chunks may be lost */
        b->state = DX_HBTP_BULK_DONE;
        b->front = b->metrics.bytes_done = b->object.size;
    }
    return DX_HBTP_OK;
}

DX_BULK_API int dx_hbtp_bulk_frame(dx_hbtp_bulk *b, int connection, const dx_hbtp_frame *frame,
                                   uint64_t now_ns)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    int error = DX_HBTP_OK;
    if (!l || !frame) return DX_HBTP_EINVAL;
    if (b->state == DX_HBTP_BULK_FAILED) return DX_HBTP_ECANCELED;
    if (frame->opcode <= DX_HBTP_OP_PONG) /* a receiver owes a Pong, a sender got it */
        l->probed = b->bitmap_ && frame->opcode == DX_HBTP_OP_PING;
    else if (frame->opcode == DX_HBTP_OP_FILE_CHUNK && b->bitmap_)
        error = dx_hbtp_p_on_chunk(b, l, frame->payload, NULL, frame->payload_size, frame->flags);
    else if (frame->opcode >= DX_HBTP_OP_BULK_OFFER && frame->opcode <= DX_HBTP_OP_BULK_END)
        error = dx_hbtp_p_on_control(b, l, frame, now_ns);
    else error = DX_HBTP_ENOTFOUND;
    if (!error) l->heard_ns = now_ns;
    else b->metrics.bad_frames++;
    return error;
}

DX_BULK_API int dx_hbtp_bulk_placed(dx_hbtp_bulk *b, int connection, const uint8_t *head,
                                    const uint8_t *data, uint64_t now_ns)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    dx_hbtp_header h;
    int error;
    if (!l || !b->bitmap_ || !head || !data) return DX_HBTP_EINVAL;
    if (b->state == DX_HBTP_BULK_FAILED) return DX_HBTP_ECANCELED;
    dx_hbtp_parse_header(head, DX_HBTP_HEADER_SIZE, &h);
    l->heard_ns = now_ns;
    error = dx_hbtp_p_on_chunk(b, l, head + DX_HBTP_HEADER_SIZE, data, h.length, h.flags);
    if (error) b->metrics.bad_frames++;
    return error;
}

DX_BULK_API int64_t dx_hbtp_bulk_feed(dx_hbtp_bulk *b, int connection, const void *bytes,
                                      size_t size, uint64_t now_ns)
{
    struct dx_hbtp_p_link *l = dx_hbtp_p_link(b, connection);
    const uint8_t *p = (const uint8_t *)bytes;
    uint32_t most = DX_HBTP_BULK_HEAD_SIZE;
    dx_hbtp_frame frame;
    int64_t got, at = 0;
    if (!l || (!p && size)) return DX_HBTP_EINVAL;
    if (size) l->heard_ns = now_ns;
    if (b->bitmap_) most += b->known ? b->object.chunk_size : (uint32_t)DX_HBTP_BULK_CHUNK_MAX;
    while ((got = dx_hbtp_parse(p + at, size - (size_t)at, most, &frame)) > 0) {
        int error = dx_hbtp_resolve_extended(&frame);
        if (!error) error = dx_hbtp_bulk_frame(b, connection, &frame, now_ns);
        if (error) return error;
        at += got;
    }
    return got ? got : at;
}

/* >>bulk state --------------------------------------------------------- */
DX_BULK_API int dx_hbtp_bulk_stop(dx_hbtp_bulk *b, uint16_t status, uint64_t grace_ns,
                                  uint64_t now_ns)
{
    if (!b || status < 400 || status > 599) return DX_HBTP_EINVAL;
    if (b->state >= DX_HBTP_BULK_DONE) return DX_HBTP_ECANCELED;
    b->status = status;
    b->stop_ns_ = now_ns + grace_ns;
    if (b->bitmap_ || !grace_ns) dx_hbtp_p_bulk_fail(b, DX_HBTP_ECANCELED, status);
    return DX_HBTP_OK;
}

DX_BULK_API int dx_hbtp_bulk_verify(dx_hbtp_bulk *b, bool equal)
{
    if (!b || !b->bitmap_ || b->state != DX_HBTP_BULK_WHOLE) return DX_HBTP_EINVAL;
    if (equal) b->state = DX_HBTP_BULK_DONE;
    else dx_hbtp_p_bulk_fail(b, DX_HBTP_ECORRUPT, DX_HBTP_BULK_WRONG_HASH);
    return DX_HBTP_OK;
}

/* Magic, version; chunk size, 0, size, hash; bitmap; CRC-32C of all that. */
DX_BULK_API int64_t dx_hbtp_bulk_save(const dx_hbtp_bulk *b, void *bytes, size_t capacity)
{
    uint8_t *p = (uint8_t *)bytes;
    size_t size;
    if (!b || !b->bitmap_ || !p) return DX_HBTP_EINVAL;
    if (!b->known) return DX_HBTP_ENOTFOUND;
    size = 56 + ((size_t)b->count_ + 7) / 8;
    if (capacity < size + 4) return DX_HBTP_ENOSPACE;
    dx_hbtp_p_store64(p, 0x000000014b425844u); /* "DXBK", 1 */
    dx_hbtp_p_store64(p + 8, b->object.chunk_size);
    dx_hbtp_p_store64(p + 16, b->object.size);
    memcpy(p + 24, b->object.hash, sizeof b->object.hash);
    memcpy(p + 56, b->bitmap_, size - 56);
    dx_hbtp_p_store32(p + size, DX_HBTP_CRC32C(0, p, size));
    return (int64_t)size + 4;
}

DX_BULK_API int dx_hbtp_bulk_load(dx_hbtp_bulk *b, const void *bytes, size_t size)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_hbtp_bulk_object o;
    uint32_t count = 0, i;
    if (!b || !b->bitmap_ || !p || b->known) return DX_HBTP_EINVAL;
    if (size < DX_HBTP_BULK_STATE_SIZE) return DX_HBTP_ETRUNCATED;
    if (dx_hbtp_p_load32(p) != 0x4b425844u) return DX_HBTP_ECORRUPT;
    if (dx_hbtp_p_load32(p + 4) != 1) return DX_HBTP_EVERSION;
    o.transfer = 0;
    if (DX_HBTP_CRC32C(0, p, size - 4) != dx_hbtp_p_load32(p + size - 4) ||
        !dx_hbtp_p_read_object(p + 8, &o, &count) ||
        size - DX_HBTP_BULK_STATE_SIZE != ((size_t)count + 7) / 8 ||
        (count % 8 && p[size - 5] >> count % 8))
        return DX_HBTP_ECORRUPT;
    if (count > b->desc_.max_chunks) return DX_HBTP_ETOOBIG;
    b->object = o;
    b->count_ = count;
    b->known = true;
    for (i = 0; i < count; i++)
        if (p[56 + i / 8] >> i % 8 & 1) dx_hbtp_p_arrive(b, i, 0);
    return DX_HBTP_OK;
}

/* >>bulk control ------------------------------------------------------- */
DX_BULK_API uint32_t dx_hbtp_bulk_control_update(dx_hbtp_bulk_control *c, uint64_t bytes_done,
                                                 uint64_t now_ns)
{
    uint32_t was;
    uint64_t rate;
    if (!c->due_ns_) {
        if (!c->least) c->least = 16;
        if (!c->most) c->most = DX_HBTP_BULK_CONNECTIONS_MAX;
        if (!c->count) c->count = 32;
        if (!c->interval_ns) c->interval_ns = 1000000000u;
        if (c->count > c->most) c->count = c->most;
        if (c->count < c->least) c->count = c->least;
        c->kept_ = c->count;
        c->patience_ = 2;
        c->settling_ = true;
    } else if (now_ns < c->due_ns_) {
        return c->count;
    }
    rate = (bytes_done - c->bytes_) * 1000 / ((now_ns - c->from_ns_) / 1000000 + 1);
    c->bytes_ = bytes_done;
    c->from_ns_ = now_ns;
    c->due_ns_ = now_ns + c->interval_ns;
    if (c->settling_) { /* after a change one interval does not count */
        c->settling_ = false;
        return c->count;
    }
    was = c->count;
    if (was == c->kept_) {
        c->rate_ = c->rate_ ? c->rate_ - c->rate_ / 4 + rate / 4 : rate;
    } else if (c->fewer_ ? rate >= c->rate_ - c->rate_ / 50 : rate > c->rate_ + c->rate_ / 20) {
        if (!c->fewer_ || rate > c->rate_) c->rate_ = rate; /* many small losses are a large one */
        c->kept_ = was;
        c->patience_ = 2;
    } else { /* back, and the next try is the other way */
        c->pause_ = c->patience_;
        if (c->patience_ < 64) c->patience_ *= 2;
        c->fewer_ = !c->fewer_;
    }
    c->count = c->kept_;
    if (c->pause_) {
        c->pause_--;
    } else {
        c->count = c->fewer_ ? c->kept_ / 2 : c->kept_ * 2;
        if (c->count > c->most) c->count = c->most;
        if (c->count < c->least) c->count = c->least;
        if (c->count == c->kept_) c->fewer_ = !c->fewer_;
    }
    c->settling_ = c->count != was;
    return c->count;
}

DX_BULK_API int dx_hbtp_bulk_control_event(dx_hbtp_bulk_control *c, bool opened, uint64_t now_ns)
{
    c->failures = opened ? 0 : c->failures + 1;
    if (opened) return DX_HBTP_OK;
    c->retry_ns = now_ns + (c->failures < 7 ? 50000000u << c->failures : 5000000000u);
    return c->failures < 3 ? DX_HBTP_OK : DX_HBTP_ETIMEDOUT;
}

DX_BULK_API uint32_t dx_hbtp_bulk_guess(uint64_t bits_per_second, uint64_t latency_ns,
                                        uint32_t least, uint32_t most)
{
    uint64_t us = latency_ns / 1000, n = us ? bits_per_second / 100 / us : 0;
    return n < least ? least : n > most ? most : (uint32_t)n;
}

#endif /* DX_HBTP_BULK_H */
