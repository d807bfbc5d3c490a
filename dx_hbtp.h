/*  dx_hbtp.h - v0.3.0 - binary frames and sessions; bytes in, bytes out
                         - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_HBTP_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_hbtp.h"

    and include it elsewhere without the define. C99; also builds as C++11. It does no input or
    output of its own: sockets, files and clocks are the caller's.

    QUICK EXAMPLE

        uint8_t memory[4096];
        dx_hbtp_out out;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        dx_hbtp_write_rpc_call(&out, 7, 1, "hello", 5);         // sequence 7, method 1

        size_t size;
        const uint8_t *bytes = dx_hbtp_out_data(&out, &size);   // send these ...
        dx_hbtp_frame frame;                                    // ... and on the other side:
        if (dx_hbtp_parse(bytes, size, 65536, &frame) != (int64_t)size) return 1;
        printf("%s, sequence %u, payload of %u bytes\n", dx_hbtp_opcode_name(frame.opcode),
               (unsigned)frame.sequence, (unsigned)frame.payload_size);

    CONTENTS (search >>)
        config  opcodes  errors  frame  codecs  out  router  session  hello  streams
        subscriptions  middleware  platform  shared  names  codec  writers  sending  hub  flow
        requests  routes  agreement  dispatch  feed  license

    HOW A SESSION IS DRIVEN
        bytes received     n = dx_hbtp_feed(s, bytes, size, now). n < 0: send the content of the
                           response buffer, then close. n < size: keep bytes[n..] and feed them
                           again when session->state says so: output sent, or a new turn.
        socket writable    dx_hbtp_out_data(), send, dx_hbtp_out_consume(). Then always feed again:
                           the bytes not yet consumed, or dx_hbtp_feed(s, NULL, 0, now). It writes
                           frames that had no room before (credit, cancellations of streams) and
                           dispatches the requests that wait.
        time passed        next = dx_hbtp_tick(s, now): expires requests, sends keepalive pings,
                           closes when the peer is silent or does not complete a frame in time.
        connection lost    dx_hbtp_abort(s): every waiting request ends with ECANCELED.

    GUARANTEES  Any split of the input gives the same result. A handler gets a payload only when it
                is complete, and in place if it lies whole in the input (exception: a stream chunk
                longer than payload_max, see dx_hbtp_credit_max()). Every request ends exactly once.
                A writer appends a whole frame or nothing. Two sessions that stream to each other
                and read cannot deadlock, see PROGRESS. No allocation, globals, recursion or
                printing. Finding a route is one load, whatever their number.
    PROGRESS    A request is dispatched only when 64 bytes of the response buffer are free for its
                answer. Every other frame is accepted however full the buffer is (unless its
                handler returns ENOSPACE or EAGAIN); frames that it causes are written when there is
                room. The last `reply_room` bytes of the buffer are reserved for answers. So a
                session never stalls as long as the peer reads. It does not stall with a peer like
                itself either, if requests go one way only, or if the answers to all requests that
                the peer may have open, at 64 bytes each at least, fit into reply_room. Beyond that,
                two sides that both send requests and do not read can block each other; keepalive_ns
                then ends the session.
    LIMITS      Payload 1 MiB unless set otherwise (at most 2^32-1); 64 own requests and 64
                unanswered requests of the peer at a time (at most 32,768); 1,024 frames per feed.
                256 streams at most, chunks of 16,384 bytes. Fixed: a peer that cancels streams or
                breaks their rules 1,000 times at once, or 33 times a second, is closed (EFLOOD).
                One thread per session and response buffer; a filled router may be shared.
                COMPRESSED and ENCRYPTED payloads are refused without a codec (status 415).
    CONFIG      DX_HBTP_STATIC, DX_HBTP_API, DX_HBTP_ASSERT(c), DX_HBTP_MEMCPY, DX_HBTP_MEMMOVE,
                DX_HBTP_MEMSET; DX_HBTP_CRC32C: a faster (crc, bytes, size); DX_HBTP_SMALL: no frame
                checksums, no codecs (ENOTSUP), no texts for statuses
    ERRORS      dx_hbtp_error: 0 = ok, negative = reason. dx_hbtp_status: numbers on the wire.
    OWNERSHIP   The caller owns every byte. Arguments of a handler are valid until it returns.
    FORMAT      docs/formats/hbtp.md, normative
*/
#ifndef DX_HBTP_H
#define DX_HBTP_H

#define DX_HBTP_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_HBTP_API
  #ifdef DX_HBTP_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_HBTP_API static __attribute__((unused))
    #else
      #define DX_HBTP_API static
    #endif
  #else
    #define DX_HBTP_API extern
  #endif
#endif

/* Copy functions for inline code. They have names of their own, so that a file that includes only
   the declarations can still define the implementation's functions. */
#if defined(DX_HBTP_MEMCPY) && defined(DX_HBTP_MEMMOVE)
  #define DX_HBTP_P_INLINE_MEMCPY DX_HBTP_MEMCPY
  #define DX_HBTP_P_INLINE_MEMMOVE DX_HBTP_MEMMOVE
#elif defined(__GNUC__) || defined(__clang__)
  #define DX_HBTP_P_INLINE_MEMCPY __builtin_memcpy
  #define DX_HBTP_P_INLINE_MEMMOVE __builtin_memmove
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>opcodes ------------------------------------------------------------ */
/* Every opcode of the format: value, constant, name. The values never change. */
#define DX_HBTP_OPCODES(X)                              \
    X(0x00, PING, "Ping")                               \
    X(0x01, PONG, "Pong")                               \
    X(0x02, CLOSE, "Close")                             \
    X(0x03, HELLO, "Hello")                             \
    X(0x04, DRAIN, "Drain")                             \
    X(0x10, STATE_SYNC, "StateSync")                    \
    X(0x11, STATE_DELTA, "StateDelta")                  \
    X(0x12, STATE_SUBSCRIBE, "StateSubscribe")          \
    X(0x13, STATE_UNSUBSCRIBE, "StateUnsubscribe")      \
    X(0x20, HTIP_CLONE, "HtipClone")                    \
    X(0x21, HTIP_PATCH_TEXT, "HtipPatchText")           \
    X(0x22, HTIP_PATCH_ATTR, "HtipPatchAttr")           \
    X(0x23, HTIP_REMOVE, "HtipRemove")                  \
    X(0x24, HTIP_BATCH, "HtipBatch")                    \
    X(0x30, RPC_CALL, "RpcCall")                        \
    X(0x31, RPC_RESPONSE, "RpcResponse")                \
    X(0x32, RPC_ERROR, "RpcError")                      \
    X(0x33, RPC_STREAM_START, "RpcStreamStart")         \
    X(0x34, RPC_STREAM_CHUNK, "RpcStreamChunk")         \
    X(0x35, RPC_STREAM_END, "RpcStreamEnd")             \
    X(0x36, RPC_CANCEL, "RpcCancel")                    \
    X(0x40, CLIENT_EVENT, "ClientEvent")                \
    X(0x41, SERVER_EVENT, "ServerEvent")                \
    X(0x50, BINARY_BLOB, "BinaryBlob")                  \
    X(0x51, FILE_CHUNK, "FileChunk")                    \
    X(0x60, AUTH_CHALLENGE, "AuthChallenge")            \
    X(0x61, AUTH_RESPONSE, "AuthResponse")              \
    X(0x62, AUTH_SUCCESS, "AuthSuccess")                \
    X(0x63, AUTH_FAILURE, "AuthFailure")                \
    X(0xff, EXTENDED, "Extended")

typedef enum dx_hbtp_opcode {
#define DX_HBTP_P_OP_IS(value, constant, name) DX_HBTP_OP_##constant = value,
    DX_HBTP_OPCODES(DX_HBTP_P_OP_IS)
    DX_HBTP_OP_EXTENDED_FIRST = 0x100 /* 0x0100..0xffff travel inside an Extended frame */
} dx_hbtp_opcode;

#define DX_HBTP_FLAGS(X)                                                            \
    X(0x01, COMPRESSED)       /* payload: zstd */                                   \
    X(0x02, ENCRYPTED)        /* payload: AEAD */                                   \
    X(0x04, EXPECTS_RESPONSE) /* the sender waits for an answer with this sequence */ \
    X(0x08, FINAL)            /* the last frame of a transfer or a stream direction; Close */ \
    X(0x10, HAS_CHECKSUM)     /* a CRC-32C of header and payload follows the payload */ \
    X(0x20, EXTRA)            /* version 2: fields precede the payload */

typedef enum dx_hbtp_flag {
#define DX_HBTP_P_FLAG_IS(value, constant) DX_HBTP_FLAG_##constant = value,
    DX_HBTP_FLAGS(DX_HBTP_P_FLAG_IS)
    DX_HBTP_FLAGS_KNOWN = 0x1f /* those of version 1 */
} dx_hbtp_flag;

/* >>errors ------------------------------------------------------------- */
/* Value, constant, and the status sent when a handler returns this error. The first 13 have the
   same values in all dx headers. */
#define DX_HBTP_ERRORS(X)                                                                          \
    X(0, OK, 500)                                                                                  \
    X(-1, EINVAL, 400)      /* an argument breaks its documented contract */                       \
    X(-2, ENOMEM, 500)      /* the memory given is too small */                                    \
    X(-3, ENOSPACE, 500)    /* the response buffer is too full; nothing was written */             \
    X(-4, ETOOBIG, 413)     /* above a limit set by the caller */                                  \
    X(-5, ECORRUPT, 400)    /* a checksum, a reserved field or a magic number is wrong */          \
    X(-6, EAGAIN, 500)      /* try later: too many requests are open */                            \
    X(-7, ESYS, 500)        /* a cipher or a hook failed */                                        \
    X(-8, ENOTSUP, 415)     /* the payload needs a codec that the session lacks */                 \
    X(-9, ENOTFOUND, 404)   /* no such route or request */                                         \
    X(-10, ECANCELED, 500)  /* the session is closed */                                            \
    X(-11, ETRUNCATED, 400) /* the input or a payload ends too early */                            \
    X(-12, EVERSION, 415)   /* no version that both sides speak, or a Hello was refused */         \
    X(-32, EHEADER, 400)    /* a header with flags that the session's policy forbids */            \
    X(-33, ETIMEDOUT, 408)  /* no answer in time */                                                \
    X(-34, EREMOTE, 500)    /* the peer answered with an RpcError */                               \
    X(-41, EFLOOD, 429)     /* the peer cancels streams, or breaks their rules, too often: LIMITS */

typedef enum dx_hbtp_error {
#define DX_HBTP_P_E_IS(value, constant, status) DX_HBTP_##constant = value,
    DX_HBTP_ERRORS(DX_HBTP_P_E_IS)
} dx_hbtp_error;

/* Numbers in RpcError and Close frames, with their HTTP meaning. */
#define DX_HBTP_STATUSES(X)                                                                        \
    X(0, NONE, "")                              /* Close: no error */                              \
    X(400, BAD_REQUEST, "bad request")          /* header or payload is malformed */               \
    X(401, UNAUTHORIZED, "unauthorized")                                                           \
    X(404, NOT_FOUND, "not found")              /* no handler for the opcode or the method */      \
    X(408, TIMEOUT, "timeout")                                                                     \
    X(413, TOO_BIG, "too big")                  /* payload above the receiver's limit */           \
    X(415, UNSUPPORTED, "unsupported")          /* COMPRESSED or ENCRYPTED without the codec */    \
    X(429, TOO_MANY, "too many requests")       /* too many open requests, or too high a rate */   \
    X(426, OTHER_VERSION, "another version")    /* no version that both sides speak */             \
    X(500, INTERNAL, "internal error")                                                             \
    X(501, NOT_KNOWN, "not known")              /* a required feature or field is unknown */       \
    X(503, UNAVAILABLE, "unavailable")

typedef enum dx_hbtp_status {
#define DX_HBTP_P_STATUS_IS(value, constant, text) DX_HBTP_STATUS_##constant = value,
    DX_HBTP_STATUSES(DX_HBTP_P_STATUS_IS)
} dx_hbtp_status;

/* "DX_HBTP_ECORRUPT" and so on; "unknown error" for anything else. No name is ever NULL. */
DX_HBTP_API const char *dx_hbtp_error_name(int error);
/* "Ping" and so on; "Unknown" for a value without a name, "Extended" from 0x100 on. */
DX_HBTP_API const char *dx_hbtp_opcode_name(uint16_t opcode);
/* True for the values of DX_HBTP_OPCODES; other values up to 0xff are reserved. */
DX_HBTP_API bool        dx_hbtp_opcode_is_defined(uint16_t opcode);
/* "not found" and so on; "error" for a number without a text. */
DX_HBTP_API const char *dx_hbtp_status_text(uint16_t status);
/* The status for a handler's error, see DX_HBTP_ERRORS. */
DX_HBTP_API uint16_t    dx_hbtp_status_of_error(int error);

/* >>frame -------------------------------------------------------------- */
enum {
    DX_HBTP_HEADER_SIZE         = 8,
    DX_HBTP_CHECKSUM_SIZE       = 4,
    DX_HBTP_TAG_SIZE            = 16,     /* tag of an ENCRYPTED payload, part of its length */
    DX_HBTP_FILE_CHUNK_PREFIX   = 16,     /* transfer, crc32c, offset */
    DX_HBTP_FILE_CHUNK_OVERHEAD = 28,     /* header, prefix, checksum; a cipher adds TAG_SIZE */
    DX_HBTP_OUT_SIZE            = 4096,   /* size of a response buffer if none is given */
    DX_HBTP_REPLY_ROOM          = 128,    /* bytes of it reserved for answers, by default */
    DX_HBTP_OUT_MIN             = 256     /* smallest response buffer with that default */
};
#define DX_HBTP_PAYLOAD_MAX     1048576u /* payload limit of a session if none is given */
#define DX_HBTP_OUTSTANDING_MAX 32768u   /* half of the sequence numbers */

typedef struct dx_hbtp_header { /* a decoded frame header */
    uint8_t  opcode;
    uint8_t  flags;
    uint16_t sequence;
    uint32_t length; /* payload bytes, without the checksum */
} dx_hbtp_header;

typedef struct dx_hbtp_frame {   /* a view: borrowed from the parsed bytes */
    const uint8_t *payload;      /* never NULL in a parsed frame; any alignment */
    uint32_t       payload_size;
    uint16_t       opcode;       /* 0..0xff; 0x100 and up only after dx_hbtp_resolve_extended() */
    uint16_t       sequence;
    uint8_t        flags;
    uint64_t       frame_size;   /* header, payload and checksum; see dx_hbtp_parse() */
} dx_hbtp_frame;

typedef struct dx_hbtp_descriptor { /* one frame of a batch, 16 bytes: header and position */
    uint8_t  opcode;
    uint8_t  flags;
    uint16_t sequence;
    uint32_t payload_size;
    uint32_t payload_offset; /* from the first byte of the batch */
    uint32_t reserved;       /* 0 */
} dx_hbtp_descriptor;

/* Decode a header, at any alignment. Returns 8, or 0 if there are fewer than 8 bytes
   (*header is untouched). */
DX_HBTP_API int  dx_hbtp_parse_header(const void *bytes, size_t size, dx_hbtp_header *header);
DX_HBTP_API void dx_hbtp_put_header(uint8_t bytes[8], const dx_hbtp_header *header);
/* Parse the frame at `bytes`. Returns
     > 0  bytes consumed; *frame is complete, and its checksum, if it has one, is correct
     0    more input is needed: at least frame->frame_size bytes from `bytes` on (8 until the header
          is complete, then the whole frame); the other fields are undefined
     < 0  ETOOBIG: the payload is longer than payload_max (known from the header alone);
          ECORRUPT: wrong checksum; EINVAL: a required pointer is NULL.
   On ETOOBIG and ECORRUPT, opcode, flags, sequence and payload_size are as in the header. */
DX_HBTP_API int64_t dx_hbtp_parse_any(const void *bytes, size_t size, uint32_t payload_max,
                                      dx_hbtp_frame *frame);
/* The same, with an inline fast path for frames without a checksum. */
static inline int64_t dx_hbtp_parse(const void *bytes, size_t size, uint32_t payload_max,
                                    dx_hbtp_frame *frame)
{
#ifndef DX_HBTP_SMALL
    const uint8_t *p = (const uint8_t *)bytes;
    if (size >= DX_HBTP_HEADER_SIZE && bytes && frame && !(p[1] & DX_HBTP_FLAG_HAS_CHECKSUM)) {
        const uint32_t length = (uint32_t)p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 |
                                (uint32_t)p[7] << 24;
        if (length <= payload_max && length <= size - DX_HBTP_HEADER_SIZE) {
            frame->payload = p + DX_HBTP_HEADER_SIZE;
            frame->payload_size = length;
            frame->opcode = p[0];
            frame->sequence = (uint16_t)(p[2] | p[3] << 8);
            frame->flags = p[1];
            frame->frame_size = DX_HBTP_HEADER_SIZE + (uint64_t)length;
            return (int64_t)frame->frame_size;
        }
    }
#endif
    return dx_hbtp_parse_any(bytes, size, payload_max, frame);
}
/* Store the opcode of an Extended frame (the first two bytes of its payload) in frame->opcode and
   advance payload past it. Other frames, and opaque ones (COMPRESSED, ENCRYPTED), stay unchanged.
   ETRUNCATED; ECORRUPT: the opcode is below 0x100. */
DX_HBTP_API int dx_hbtp_resolve_extended(dx_hbtp_frame *frame);
/* Parse up to `capacity` whole frames. Returns the bytes consumed and sets *count; 0: there is no
   whole frame; < 0: an error as in dx_hbtp_parse(), for the first frame only (a later bad frame
   ends the batch before it). Reads at most the first 2^32-1 bytes. */
DX_HBTP_API int64_t dx_hbtp_parse_batch(const void *bytes, size_t size, uint32_t payload_max,
                                        dx_hbtp_descriptor *descriptors, size_t capacity,
                                        size_t *count);
/* Sort a batch by opcode, for handlers that do not depend on the order between opcodes:
   order[count] gets the numbers 0..count-1. Stable. O(count + 256), 1 KiB of stack. EINVAL,
   ETOOBIG. */
DX_HBTP_API int dx_hbtp_group(const dx_hbtp_descriptor *descriptors, size_t count, uint32_t *order);
/* Decode the payload of an RpcError or a Close. *text is borrowed, not terminated, and may hold any
   bytes. A Close without a payload is status 0. ETRUNCATED; ECORRUPT: reserved is not 0, or the
   status of an RpcError is not 400..599; ENOTSUP: opaque. */
DX_HBTP_API int dx_hbtp_parse_rpc_error(const dx_hbtp_frame *frame, uint16_t *status,
                                        const char **text, size_t *text_size);

/* >>codecs ------------------------------------------------------------- */
typedef struct dx_hbtp_codec { /* compression (COMPRESSED); any number of sessions may share it */
    /* Compress into at most `capacity` bytes. Returns the size; 0: it does not fit. */
    size_t  (*pack)(void *user, const void *in, size_t size, void *out, size_t capacity);
    /* Decompress. Returns the size. ETOOBIG: more than `capacity`, detected
       first; ECORRUPT; ENOTSUP. */
    int64_t (*unpack)(void *user, const void *in, size_t size, void *out, size_t capacity);
    void     *user;
} dx_hbtp_codec;

typedef struct dx_hbtp_cipher { /* encryption (ENCRYPTED): keys of ONE session, both ways */
    /* Encrypt data[size] in place and append a tag of 16 bytes; the header is authenticated. Derive
       the nonce from `counter`: no two frames under one key share it. Not 0: failed. */
    int    (*seal)(void *user, uint64_t counter, const uint8_t header[8], uint8_t *data,
                   size_t size);
    /* Decrypt data[size], tag included, into `plain`. Not 0: authentication failed. */
    int    (*open)(void *user, uint64_t counter, const uint8_t header[8], const uint8_t *data,
                   size_t size, uint8_t *plain);
    void    *user;
    uint64_t sealed; /* frames sealed; 0 with new keys */
    uint64_t opened; /* frames opened; 0 with new keys */
} dx_hbtp_cipher;

/* >>out ---------------------------------------------------------------- */
typedef struct dx_hbtp_out { /* response buffer: frames to be sent; fields are private */
    uint8_t *memory_;
    size_t   size_;          /* bytes of memory_ */
    size_t   limit_;         /* end of writing, except for the answer of the running handler */
    size_t   begin_;         /* memory_[begin_..used_) is to be sent */
    size_t   used_;
    dx_hbtp_cipher *cipher_; /* of the session that uses the buffer */
    uint32_t request_;       /* sequence of the request being handled; 0x10000: none */
    bool     answered_;      /* its answer has been written */
    bool     committed_;     /* output of the running handler can no longer be rolled back */
    uint8_t  flags_;         /* added to every frame: HAS_CHECKSUM, ENCRYPTED */
    uint32_t payload_over_;  /* smallest payload size that is refused; 0: 2^32 */
} dx_hbtp_out;

/* Borrows `size` bytes of memory (0: DX_HBTP_OUT_SIZE) while the buffer is in use. EINVAL. */
DX_HBTP_API int            dx_hbtp_out_init(dx_hbtp_out *out, void *memory, size_t size);
/* Discard the content; the memory stays. */
DX_HBTP_API void           dx_hbtp_out_reset(dx_hbtp_out *out);
/* Turn the checksum of later frames on or off. */
DX_HBTP_API void           dx_hbtp_out_set_checksum(dx_hbtp_out *out, bool on);
/* Refuse later payloads above this size with ETOOBIG; 0: no limit. A session sets it for its own
   buffer once the peer has stated its limit. EINVAL: below 256. */
DX_HBTP_API int            dx_hbtp_out_set_payload_max(dx_hbtp_out *out, uint32_t payload_max);
/* The bytes to send; valid until the next consume or reset. Writers only append, so the kernel may
   still read these bytes while more frames are written. */
DX_HBTP_API const uint8_t *dx_hbtp_out_data(const dx_hbtp_out *out, size_t *size);
/* Drop the first `size` bytes: they were sent, and nobody reads dx_hbtp_out_data() any more. The
   rest may move to the front. Amortized O(1) per byte sent, unless answers fill the buffer. EINVAL:
   more than there are. */
DX_HBTP_API int            dx_hbtp_out_consume(dx_hbtp_out *out, size_t size);
/* Free bytes, for a frame with header and checksum. With a session, its last reply_room bytes count
   only inside the handler of a request, until that has written its answer. */
DX_HBTP_API size_t         dx_hbtp_out_room(const dx_hbtp_out *out);
/* Where the payload of the next frame will be stored. A payload written there in advance (check the
   room first) is not copied. Add 16 for the data of a FileChunk, 1 for arguments, 2 for an Extended
   payload. */
DX_HBTP_API uint8_t       *dx_hbtp_out_next(const dx_hbtp_out *out);

/* Every writer appends one whole frame or nothing. ENOSPACE: no room; ETOOBIG: payload above 2^32-1
   or above the peer's limit; ESYS: the cipher failed; EINVAL. The payload is copied.
   opcode: from 0x100 on, an Extended frame is written. flags: written as given; HAS_CHECKSUM also
   appends the checksum. text: UTF-8, zero-terminated; NULL: dx_hbtp_status_text(status). */
DX_HBTP_API int dx_hbtp_write_frame(dx_hbtp_out *out, uint16_t opcode, uint8_t flags,
                                    uint16_t sequence, const void *payload, size_t size);
DX_HBTP_API int dx_hbtp_write_pong(dx_hbtp_out *out, uint16_t sequence, const void *payload,
                                   size_t size);
DX_HBTP_API int dx_hbtp_write_rpc_call(dx_hbtp_out *out, uint16_t sequence, uint8_t method,
                                       const void *arguments, size_t size);
/* status: 400..599, else EINVAL. text NULL: the text of the status. */
DX_HBTP_API int dx_hbtp_write_rpc_error(dx_hbtp_out *out, uint16_t sequence, uint16_t status,
                                        const char *text);
/* Sets FINAL. Status 0 writes no payload. */
DX_HBTP_API int dx_hbtp_write_close(dx_hbtp_out *out, uint16_t status, const char *text);
/* compressed: the payload already is a zstd frame. */
DX_HBTP_API int dx_hbtp_write_state_sync(dx_hbtp_out *out, uint16_t sequence, bool compressed,
                                         const void *payload, size_t size);
/* Inline fast path for frames without checksum and encryption. */
static inline int dx_hbtp_write_rpc_response(dx_hbtp_out *out, uint16_t sequence,
                                             const void *result, size_t size)
{
#if defined(DX_HBTP_P_INLINE_MEMCPY) && !defined(DX_HBTP_SMALL)
    if (out && result && !out->flags_) {
        const bool answer = sequence == out->request_ && !out->answered_;
        const size_t used = out->used_, limit = answer ? out->size_ : out->limit_;
        const size_t room = limit > used ? limit - used : 0;
        uint8_t *p = out->memory_ + used;
        const uint8_t head[8] = {DX_HBTP_OP_RPC_RESPONSE, 0, (uint8_t)(sequence & 0xff),
                                 (uint8_t)(sequence >> 8), (uint8_t)(size & 0xff),
                                 (uint8_t)(size >> 8 & 0xff),
                                 (uint8_t)((uint32_t)size >> 16 & 0xff),
                                 (uint8_t)((uint32_t)size >> 24 & 0xff)};
        if (room >= DX_HBTP_HEADER_SIZE && size <= room - DX_HBTP_HEADER_SIZE &&
            size <= out->payload_over_ - 1u) {
            out->used_ = used + DX_HBTP_HEADER_SIZE + size;
            if (answer) out->answered_ = true;
            DX_HBTP_P_INLINE_MEMMOVE(p + DX_HBTP_HEADER_SIZE, result, size);
            DX_HBTP_P_INLINE_MEMCPY(p, head, DX_HBTP_HEADER_SIZE);
            return DX_HBTP_OK;
        }
    }
#endif
    return dx_hbtp_write_frame(out, DX_HBTP_OP_RPC_RESPONSE, 0, sequence, result, size);
}
/* Compress the payload with `codec` and set COMPRESSED, if that saves an eighth; otherwise (or with
   codec NULL) write it unchanged. Below 256 bytes only a dictionary pays. A payload in the free
   part of the buffer is compressed into the space after itself, and written unchanged if there is
   none. EINVAL: an extended opcode; errors as of the other writers. */
DX_HBTP_API int dx_hbtp_write_packed(dx_hbtp_out *out, const dx_hbtp_codec *codec, uint16_t opcode,
                                     uint8_t flags, uint16_t sequence, const void *payload,
                                     size_t size);
typedef struct dx_hbtp_file_chunk { /* payload of a FileChunk frame */
    uint32_t       transfer;        /* transfer number within this
                                       connection: chosen by the sender */
    uint64_t       offset;          /* of the first byte in the object */
    const uint8_t *data;            /* borrowed from the frame */
    uint32_t       data_size;       /* 0 for an empty object */
    bool           final;           /* last chunk of the object (flag FINAL) */
} dx_hbtp_file_chunk;

/* Decode and verify. ETRUNCATED: below 16 bytes; ECORRUPT: wrong CRC-32C of the data, or offset +
   size above 2^64-1; EINVAL: not a FileChunk, or opaque. */
DX_HBTP_API int dx_hbtp_parse_file_chunk(const dx_hbtp_frame *frame, dx_hbtp_file_chunk *chunk);
/* sequence: of the request that the transfer answers, or 0. The largest data_size that fits is
   dx_hbtp_out_room() - DX_HBTP_FILE_CHUNK_OVERHEAD. */
DX_HBTP_API int dx_hbtp_write_file_chunk(dx_hbtp_out *out, uint16_t sequence,
                                         const dx_hbtp_file_chunk *chunk);

/* >>router ------------------------------------------------------------- */
typedef struct dx_hbtp_session dx_hbtp_session;

typedef struct dx_hbtp_context { /* argument of a handler; all of it valid until it returns */
    dx_hbtp_session     *session;
    dx_hbtp_out         *out;      /* for the answer */
    const dx_hbtp_frame *frame;
    const uint8_t       *payload;  /* for an RPC method: the arguments, without the method byte */
    size_t               payload_size;
    uint64_t             now_ns;   /* as given to dx_hbtp_feed() */
    void                *user;     /* as given with the route */
    uint64_t             deadline_ns; /* of a request: when the peer stops
                                         waiting; UINT64_MAX: not stated */
} dx_hbtp_context;

enum { DX_HBTP_LATER = 1 }; /* a handler's result: dx_hbtp_reply() will answer */

/* A handler returns
     0              done: it has written its answer to context->out, or needs none
     DX_HBTP_LATER  it will call dx_hbtp_reply() or dx_hbtp_reply_error() with frame->sequence
     400..599       roll back its output and send an RpcError with this status
     ENOSPACE       roll back its output and call it again with the same frame when there is more
                    room. If the buffer is empty and still too small, the peer gets status 500.
     EAGAIN         as ENOSPACE, for a reason of its own: call it again in the next feed
     other errors   roll back its output and send RpcError with dx_hbtp_status_of_error()
   Only requests are answered: Ping, RpcCall, RpcStreamStart and frames with EXPECTS_RESPONSE. A
   failure on another frame is counted and reported to the program only (DX_HBTP_EVENT_FAILED).
   Rollback is all or nothing. Calls that change more than the buffer (dx_hbtp_call, request,
   notify, reply, open, send, grant, finish, reset, publish, catch_up, or dx_hbtp_out_consume)
   commit all output of the handler, before and after the call. If it then returns an error, an
   RpcError is added, but only if it has not answered; ENOSPACE and EAGAIN likewise. */
typedef int dx_hbtp_handler_fn(const dx_hbtp_context *context);

typedef struct dx_hbtp_route {
    dx_hbtp_handler_fn *fn; /* never NULL in an initialised router */
    void               *user;
} dx_hbtp_route;

typedef struct dx_hbtp_router { /* shared by any number of sessions; private */
    dx_hbtp_route opcodes_[256];
    dx_hbtp_route methods_[256];
} dx_hbtp_router;

/* Install the default handlers: Pong for Ping, the method table for RpcCall, status 404 for other
   opcodes of the format. Undefined opcodes are counted and ignored; requests among them get 404. */
DX_HBTP_API int dx_hbtp_router_init(dx_hbtp_router *router);
/* Register or replace a handler; fn NULL restores the default. Slot 0xff gets every extended
   opcode. O(1). EINVAL: Pong, Close, RpcResponse and RpcError belong to the session. */
DX_HBTP_API int dx_hbtp_router_set(dx_hbtp_router *router, uint8_t opcode,
                                   dx_hbtp_handler_fn *fn, void *user);
DX_HBTP_API int dx_hbtp_router_set_method(dx_hbtp_router *router, uint8_t method,
                                          dx_hbtp_handler_fn *fn, void *user);

/* >>session ------------------------------------------------------------ */
typedef enum dx_hbtp_state {
    DX_HBTP_WANTS_INPUT,  /* every frame that could be dispatched was: receive more */
    DX_HBTP_WANTS_OUTPUT, /* no room for the answer to a request: send, then feed again */
    DX_HBTP_WANTS_TURN,   /* frames_max were dispatched, or a handler returned EAGAIN: feed again */
    DX_HBTP_CLOSED        /* send the content of the response buffer, then close the connection */
} dx_hbtp_state;

typedef enum dx_hbtp_event {
    DX_HBTP_EVENT_UNKNOWN_OPCODE = 1, /* no such opcode. For this and the next three: a request got
                                         an RpcError, other frames no answer */
    DX_HBTP_EVENT_NO_ROUTE,           /* no handler: 404 */
    DX_HBTP_EVENT_REFUSED,            /* no codec (415), or too many open requests (429) */
    DX_HBTP_EVENT_FAILED,             /* a handler failed, or a payload was malformed */
    DX_HBTP_EVENT_LATE,               /* an answer to an expired or canceled request */
    DX_HBTP_EVENT_DUPLICATE,          /* a second answer */
    DX_HBTP_EVENT_UNASKED,            /* an answer to no known request */
    DX_HBTP_EVENT_CLOSED,             /* the session closed; session->error says why */
    DX_HBTP_EVENT_HELLO,              /* the Hello is answered: session->peer has the result;
                                         version 1: no agreement on version 2 */
    DX_HBTP_EVENT_DRAIN               /* the peer will close soon: session->peer.drains */
} dx_hbtp_event;

typedef struct dx_hbtp_result {   /* outcome of an own request; valid during the callback */
    int                  error;   /* OK, EREMOTE, ETIMEDOUT, ECANCELED; ENOTSUP, ETRUNCATED,
                                     ECORRUPT: the answer cannot be read */
    uint16_t             sequence;
    uint16_t             status;  /* EREMOTE: the peer's status */
    const dx_hbtp_frame *frame;   /* the answer, or NULL */
    const uint8_t       *payload; /* OK: the result, EREMOTE: the text; otherwise NULL */
    size_t               payload_size;
    void                *user;    /* as given with the request */
} dx_hbtp_result;

typedef void dx_hbtp_result_fn(dx_hbtp_session *session, const dx_hbtp_result *result);
/* frame: for DX_HBTP_EVENT_CLOSED the peer's Close or NULL, otherwise the frame that caused it. */
typedef void dx_hbtp_event_fn(dx_hbtp_session *session, dx_hbtp_event event,
                              const dx_hbtp_frame *frame);

typedef enum dx_hbtp_stream_kind {
    DX_HBTP_STREAM_OPENED = 1, /* by the peer: method; data: its arguments */
    DX_HBTP_STREAM_CHUNK,      /* data, credit, or both; call dx_hbtp_grant() to get more data */
    DX_HBTP_STREAM_FINISHED,   /* end of the peer's data: status and text (data) say
                                  why; status 0: complete */
    DX_HBTP_STREAM_ENDED       /* both directions have ended */
} dx_hbtp_stream_kind;

typedef struct dx_hbtp_stream_event { /* valid during the callback */
    dx_hbtp_stream_kind kind;
    uint32_t            stream;  /* handle for the functions below */
    uint32_t            credit;  /* bytes that dx_hbtp_send() may send now */
    const uint8_t      *data;    /* until the callback returns */
    size_t              size;
    void               *user;    /* of this stream: the callback may set it, it is kept */
    int                 error;   /* ENDED: OK; EREMOTE: canceled by the peer, with status and text
                                    (data), or finished by it with a status; ECANCELED: canceled
                                    here or by the end of the session; ECORRUPT, ETRUNCATED,
                                    ENOTSUP: refused by an unreadable RpcError */
    uint16_t            status;
    uint8_t             method;
} dx_hbtp_stream_event;

/* OPENED: 0 accepts; dx_hbtp_grant() lets the peer send, and anything sent tells it that the stream
   is accepted. The side that opened gets no OPENED: its first CHUNK means accepted. FINISHED: this
   side may still send, and finishes its own direction, or the stream stays open: streams have no
   timeout. ENDED: the handle is invalid, and the result is ignored.
   Any other result than 0 cancels the stream, with that status (400..599) or that of the error, and
   reports ENDED inside; no event is repeated. */
typedef int dx_hbtp_stream_fn(dx_hbtp_session *session, dx_hbtp_stream_event *event);

typedef struct dx_hbtp_session_desc { /* zero = the default given with each field */
    void                 *memory;          /* dx_hbtp_session_memory_size() bytes, aligned to 8;
                                              borrowed for the session's lifetime */
    size_t                memory_size;
    dx_hbtp_out          *out;             /* required; borrowed */
    uint32_t              reply_room;      /* bytes of `out` reserved for answers, see PROGRESS; at
                                              least DX_HBTP_REPLY_ROOM, the default. `out` must have
                                              128 bytes more */
    const dx_hbtp_router *router;          /* borrowed; NULL: default handlers only */
    dx_hbtp_result_fn    *on_result;       /* NULL: results are dropped */
    dx_hbtp_event_fn     *on_event;        /* NULL: events are only counted */
    void                (*on_cancel)(dx_hbtp_session *s, uint16_t sequence); /* the peer stopped
                                              waiting for a request that dx_hbtp_reply() is to
                                              answer: answer it soon, with anything */
    void                (*on_output)(dx_hbtp_session *s); /* `out` was written to outside of
                                              dx_hbtp_feed(): send it soon. NULL: check `out` after
                                              each call yourself */
    void                 *user;            /* for the caller */
    uint32_t              payload_max;     /* bytes; DX_HBTP_PAYLOAD_MAX. A longer frame gets 413
                                              and closes, except stream chunks, see
                                              dx_hbtp_credit_max() */
    uint32_t              outstanding_max; /* own open requests; 64 */
    uint32_t              pending_max;     /* requests of the peer that wait for dx_hbtp_reply();
                                              64. Further ones get status 429 without a call */
    uint32_t              frames_max;      /* frames dispatched by one feed; 1024 */
    uint32_t              streams_max;     /* open streams of both sides; at most 256. 0: none,
                                              the peer's get status 404 */
    dx_hbtp_stream_fn    *on_stream;       /* required if streams_max is not 0 */
    const dx_hbtp_codec  *codec;           /* NULL: COMPRESSED payloads get status 415 */
    dx_hbtp_cipher       *cipher;          /* encrypts every frame sent; an unencrypted or replayed
                                              frame closes. NULL: ENCRYPTED gets 415 */
    uint64_t              keepalive_ns;    /* silence before tick sends a Ping; the session closes
                                              after the same silence again. 0: never */
    uint64_t              frame_ns;        /* time from the first byte of a frame to its last; the
                                              session closes after it. 60 s; UINT64_MAX: no limit */
    bool                  in_place;        /* true: no reassembly buffer. feed leaves a partial
                                              frame unconsumed; append to it in your own buffer (see
                                              need) */
    bool                  reject_unknown_flags; /* false: flag bits 0x20, 0x40 and
                                                   0x80 are passed on unread */
    bool                  require_checksum;     /* true: a frame without a checksum closes */
    uint64_t            (*now_ns)(const dx_hbtp_session *s); /* clock for deadlines that are sent;
                                              NULL: the last now_ns of feed or tick */
} dx_hbtp_session_desc;

typedef struct dx_hbtp_peer { /* what the other side has stated, see >>hello */
    uint8_t  version;      /* spoken by both; 1 before a Hello */
    bool     drains;       /* it accepts no new requests: use another connection */
    bool     zstd;         /* it accepts COMPRESSED payloads */
    uint32_t features;     /* dx_hbtp_feature that both sides know */
    uint32_t payload_max;  /* its limits; 0: not stated */
    uint32_t requests_max;
    uint32_t streams_max;
    uint32_t credit;       /* initial send credit of streams that we open */
} dx_hbtp_peer;

typedef struct dx_hbtp_counters {
    uint64_t frames;    /* dispatched */
    uint64_t bytes;     /* of those frames */
    uint64_t events[11]; /* by dx_hbtp_event */
} dx_hbtp_counters;

struct dx_hbtp_session { /* caller-allocated; fields without "_" may be read */
    dx_hbtp_session_desc     desc;          /* with the defaults filled in */
    dx_hbtp_state            state;
    int                      error;         /* why it closed: OK (orderly, or still open), ETOOBIG,
                                               EHEADER, ECORRUPT, ETIMEDOUT, EFLOOD, EVERSION (a
                                               Hello was refused) */
    uint32_t                 waiting;       /* own open requests */
    uint32_t                 given_up;      /* own requests that expired or were canceled and that
                                               the peer has not answered yet */
    uint64_t                 need;          /* size of the next frame, as far as known; in_place:
                                               your buffer must hold this many bytes from the first
                                               unconsumed one on */
    dx_hbtp_counters         counters;
    dx_hbtp_peer             peer;
    struct dx_hbtp_p_slot   *slots_;        /* own requests, slot_count_ of them */
    struct dx_hbtp_p_stream *streams_;      /* open streams, stream_count_ of them */
    struct dx_hbtp_hub      *hub_;          /* hub of its subscriptions */
    const struct dx_hbtp_hello *hello_;     /* our Hello, until it is answered; NULL: none */
    const struct dx_hbtp_p_v2_hooks *v2_;   /* hooks of version 2; NULL: no Hello, no drain */
    uint8_t                 *buffer_;       /* reassembles one frame; NULL: in_place */
    uint8_t                 *plain_;        /* output of the cipher */
    uint8_t                 *unpacked_;     /* output of the codec */
    size_t                   held_;         /* bytes in buffer_ */
    size_t                   left_;         /* bytes that the last feed did not consume */
    size_t                   stuck_room_;   /* STUCK subscriptions retry with more room than this */
    uint64_t                 sealed_;       /* the cipher's counter, for the handler's rollback */
    uint64_t                 now_ns_;       /* the caller's last now_ns */
    uint64_t                 limit_ns_;     /* deadline of the frame being dispatched */
    uint64_t                 next_deadline_ns_; /* no own request expires before */
    uint64_t                 received_ns_;  /* when new bytes arrived last */
    uint64_t                 pinged_ns_;    /* when the keepalive Ping was sent, if pinged_ */
    uint64_t                 flood_ns_;     /* rate limit of canceled streams: >>routes */
    uint64_t                 begun_ns_;     /* first byte of the incomplete frame, if partial_ */
    uint32_t                 slot_count_;   /* a power of two */
    uint32_t                 pending_;      /* requests of the peer that wait for dx_hbtp_reply() */
    uint32_t                 stream_count_;
    uint32_t                 subscribed_;   /* length of its ring in the hub ... */
    uint32_t                 subscription_; /* ... and an entry of it */
    uint32_t                 stuck_;        /* those of them that are STUCK */
    uint32_t                 deferred_next_; /* index of the stream to flush next */
    uint32_t                 budget_;       /* frames that this feed may still dispatch */
    uint32_t                 credit_;       /* initial credit of the peer's streams (our Hello) */
    /* A chunk that is longer than payload_max: see the picture in >>feed. */
    uint32_t                 tail_stream_;  /* its stream; 0: none, or it has ended */
    uint32_t                 tail_crc_;     /* checksum of the bytes so far */
    uint16_t                 tail_;         /* bytes still to come; 0: no chunk is open */
    uint16_t                 behind_;       /* bytes that follow the piece being dispatched */
    uint16_t                 sequence_;     /* last number assigned */
    uint16_t                 hello_seq_;    /* sequence of the Hello, own or the peer's; 0: none */
    uint16_t                 drain_seq_;    /* sequence of the own Drain; 0: none is open */
    bool                     tail_checked_; /* a checksum follows the tail */
    bool                     drains_;       /* new requests of the peer get 503 */
    bool                     drain_sent_;   /* the peer was sent a Drain */
    bool                     retried_;      /* the next frame's handler has run already */
    bool                     hello_first_;  /* requests before the peer's Hello get 426 */
    bool                     pinged_;       /* a Ping was sent during this silence */
    bool                     clock_started_; /* the clock has started, see dx_hbtp_p_clock() */
    bool                     feeding_;      /* inside dx_hbtp_feed() */
    bool                     partial_;      /* an incomplete frame has arrived */
    bool                     handler_waits_; /* a handler waits for room and gets it first */
    bool                     deferred_;     /* a stream has a frame to send that had no room */
};

/* About 24 * (outstanding_max rounded up to a power of two) + 32 * streams_max, plus payload_max
   for each of: reassembly (not in_place), codec, cipher. 0: a limit is too large. */
DX_HBTP_API size_t dx_hbtp_session_memory_size(const dx_hbtp_session_desc *desc);
DX_HBTP_API int    dx_hbtp_session_init(dx_hbtp_session *s, const dx_hbtp_session_desc *desc);
/* Process received bytes; handlers and on_result run inside. Returns the bytes consumed, 0..size
   (if fewer, see state), or the error that has closed the session: ETOOBIG, EHEADER, ECORRUPT,
   ETIMEDOUT, EFLOOD, EVERSION (send the response buffer: it holds the reply and a Close). On a
   closed session: its error, or ECANCELED after an orderly close. now_ns: any monotonic clock. */
DX_HBTP_API int64_t dx_hbtp_feed(dx_hbtp_session *s, const void *bytes, size_t size,
                                 uint64_t now_ns);
/* Handle timeouts: ends requests whose deadline has passed (ETIMEDOUT), sends the keepalive Ping,
   closes after a long silence or when a frame takes too long. Returns when it must be called next;
   UINT64_MAX: no need. */
DX_HBTP_API uint64_t dx_hbtp_tick(dx_hbtp_session *s, uint64_t now_ns);

/* Send a request. It stays open until it is answered or deadline_ns passes: a time of the clock
   given to dx_hbtp_feed() and dx_hbtp_tick() as now_ns, so now_ns + 2000000000 for two seconds;
   UINT64_MAX: never. A deadline in the past ends it with ETIMEDOUT at the next tick. *sequence (may
   be NULL) gets its number, 1..65535. on_result is called exactly once. Any opcode
   (EXPECTS_RESPONSE is added): a Ping is answered by a Pong, all others by RpcResponse or RpcError.
   EAGAIN: outstanding_max or the peer's limit is reached (for the latter, expired and canceled
   requests count until the peer answers them), or no number is free; ECANCELED: closed, or the peer
   drains (peer.drains); errors of the writers. */
DX_HBTP_API int dx_hbtp_request(dx_hbtp_session *s, uint16_t opcode, uint8_t flags,
                                const void *payload, size_t size, uint64_t deadline_ns,
                                void *user, uint16_t *sequence);
DX_HBTP_API int dx_hbtp_call(dx_hbtp_session *s, uint8_t method, const void *arguments,
                             size_t size, uint64_t deadline_ns, void *user, uint16_t *sequence);
/* End a request now, with ECANCELED. Sends RpcCancel if the peer knows it and there is room;
   best effort. ENOTFOUND. */
DX_HBTP_API int dx_hbtp_cancel(dx_hbtp_session *s, uint16_t sequence);

/* Send a frame that is neither a request nor an answer: a state, an event. It commits the output of
   the running handler and does not use the room of answers. flags: FINAL, EXTRA (version 2),
   COMPRESSED; the rest is added. EINVAL: a request, or an opcode of answers, streams or the session
   itself; ECANCELED: closed; errors of the writers. */
DX_HBTP_API int dx_hbtp_notify(dx_hbtp_session *s, uint16_t opcode, uint8_t flags,
                               const void *payload, size_t size);

/* Answer a request whose handler returned DX_HBTP_LATER, once each: an RpcResponse, or an RpcError
   with a status of 400..599. Errors of the writers; ECANCELED: closed; ENOTFOUND: no request is
   pending. */
DX_HBTP_API int dx_hbtp_reply(dx_hbtp_session *s, uint16_t sequence, const void *result,
                              size_t size);
DX_HBTP_API int dx_hbtp_reply_error(dx_hbtp_session *s, uint16_t sequence, uint16_t status,
                                    const char *text);

/* Close in order: write a Close, then as dx_hbtp_abort(). ENOSPACE: still open. */
DX_HBTP_API int  dx_hbtp_close(dx_hbtp_session *s, uint16_t status, const char *text);
/* The connection is lost: all open requests end with ECANCELED, nothing is written. */
DX_HBTP_API void dx_hbtp_abort(dx_hbtp_session *s);

/* True: no request of either side and no stream is open; or s is NULL. */
DX_HBTP_API bool dx_hbtp_is_idle(const dx_hbtp_session *s);
/* True: after the last feed or tick there was an incomplete frame, begun at *begun_ns of their
   clock (may be NULL). A whole frame that waits for room or for a turn does not count. */
DX_HBTP_API bool dx_hbtp_has_begun(const dx_hbtp_session *s, uint64_t *begun_ns);

/* Replace the response buffer (one can serve all sessions of a thread in turn). EINVAL. */
DX_HBTP_API int  dx_hbtp_session_set_out(dx_hbtp_session *s, dx_hbtp_out *out);

/* >>hello --------------------------------------------------------------
   Both sides must agree before they use version 2. The side that connects says Hello, best before
   anything else; the other sets dx_hbtp_hello_handler() as its route for DX_HBTP_OP_HELLO. Without
   both, the session stays at version 1. Neither side has to wait for the answer. */
typedef enum dx_hbtp_feature {
    DX_HBTP_FEATURE_DEADLINE = 1, /* the peer is told deadlines of requests: context->deadline_ns */
    DX_HBTP_FEATURE_CANCEL   = 2, /* dx_hbtp_cancel() notifies the peer: desc.on_cancel */
    DX_HBTP_FEATURE_DRAIN    = 4, /* dx_hbtp_drain() notifies the peer: DX_HBTP_EVENT_DRAIN */
    DX_HBTP_FEATURE_SPLIT    = 8, /* stream chunks fit into the receiver's payload_max */
    DX_HBTP_FEATURE_RESUME   = 16, /* subscriptions resume from a version */
    DX_HBTP_FEATURES_KNOWN   = 15 /* by every session; the rest: dx_hbtp_hello.features */
} dx_hbtp_feature;

typedef struct dx_hbtp_text { /* borrowed, not terminated; any bytes */
    const void *bytes;
    uint16_t    size;
} dx_hbtp_text;

typedef struct dx_hbtp_who {
    dx_hbtp_text agent;    /* software name, for people */
    dx_hbtp_text identity; /* who the peer is, ... */
    dx_hbtp_text key;      /* ... the key that its token was made with, ... */
    dx_hbtp_text token;    /* ... and the token that proves it */
} dx_hbtp_who;

typedef struct dx_hbtp_offer { /* content of a Hello; valid during admit */
    uint8_t      version_min;
    uint8_t      version_max;
    uint32_t     features;
    uint32_t     needs;
    dx_hbtp_peer limits;
    dx_hbtp_who  who;
    const char **why;      /* of admit: the text of a refusal, copied when it returns */
} dx_hbtp_offer;

typedef struct dx_hbtp_hello { /* our Hello; zero: nothing stated. Limits: the session's */
    uint32_t     needs;    /* required dx_hbtp_feature; not 0: version 1 is refused */
    uint32_t     features; /* further features that the program or a layer implements */
    uint32_t     credit;   /* initial credit of each stream that the peer
                              opens, bytes; below 2^31 */
    dx_hbtp_who  who;
    /* For the side that accepts. Returns 0, or a status that refuses the peer (401), and may set
       *offer->why to its text. It may set session->desc.user, for the handlers, and must not
       write. NULL: every peer is accepted. */
    int        (*admit)(void *user, dx_hbtp_session *session, const dx_hbtp_offer *offer);
    void        *user;     /* for admit */
} dx_hbtp_hello;

/* Say Hello, once. *hello is borrowed until DX_HBTP_EVENT_HELLO, or until the session ends: because
   the peer is refused, or did not answer by deadline_ns of the same clock (ETIMEDOUT). on_result is
   not called for it. Errors as of dx_hbtp_request(); EINVAL: already said, a stream is open,
   payload_max below 256, or a credit of 2^31 or more. */
DX_HBTP_API int dx_hbtp_say_hello(dx_hbtp_session *s, const dx_hbtp_hello *hello,
                                  uint64_t deadline_ns);
/* The handler for Hello, with a const dx_hbtp_hello as the route's user. */
DX_HBTP_API int dx_hbtp_hello_handler(const dx_hbtp_context *context);
/* Until the peer's Hello is accepted, no frame reaches a handler: requests get status 426, other
   frames are counted (DX_HBTP_EVENT_REFUSED). */
DX_HBTP_API void dx_hbtp_require_hello(dx_hbtp_session *s);
/* Ask the peer to use another connection. Its new requests get 503 and never reach a handler. Close
   once this has returned OK and dx_hbtp_is_idle(): by then the peer has answered, so no request of
   it is in flight. Further calls send nothing. text NULL: as writers. ECANCELED: closed. On other
   errors requests are refused but the peer does not know it yet; call again. EAGAIN: our Hello is
   not answered, or as dx_hbtp_request(); ENOSPACE. */
DX_HBTP_API int dx_hbtp_drain(dx_hbtp_session *s, uint16_t status, const char *text);
/* Read the next field of a list into *tag and *value. Returns its size, or -1 at the end: then
   *left is 0 if the list is well-formed. */
DX_HBTP_API int dx_hbtp_next_field(const uint8_t **list, size_t *left, uint8_t *tag,
                                   const uint8_t **value);

/* >>streams ------------------------------------------------------------ */
enum { DX_HBTP_STREAM_CHUNK_MAX = 16384 }; /* bytes of data; small, so that other frames
                                               need not wait long */

/* A stream carries data in both directions, each limited by the credit that its receiver grants.
   Open one: the peer gets these arguments and may send `credit` bytes. This side may send nothing
   until a CHUNK event brings credit, unless the peer's Hello has given some. A peer that refuses
   ends the stream. *stream is valid until ENDED. An answering side:

       switch (e->kind) {
       case DX_HBTP_STREAM_OPENED: return dx_hbtp_grant(s, e->stream, 65536);
       case DX_HBTP_STREAM_CHUNK:
           use(e->data, e->size);
           return e->size ? dx_hbtp_grant(s, e->stream, (uint32_t)e->size) : 0;
       case DX_HBTP_STREAM_FINISHED: return dx_hbtp_finish(s, e->stream, 0, NULL);
       case DX_HBTP_STREAM_ENDED: return 0;
       }

   EAGAIN: streams_max, own or the peer's, is reached, or no number is free; ETOOBIG: as
   dx_hbtp_grant(); ECANCELED: closed, or the peer drains; errors of the writers. */
DX_HBTP_API int dx_hbtp_open(dx_hbtp_session *s, uint8_t method, const void *arguments,
                             size_t size, uint32_t credit, void *user, uint32_t *stream);
/* Send at most one chunk, as far as credit and response buffer allow. Returns the bytes accepted;
   0: none now. Then try again at the next CHUNK event, which may bring credit, and after
   dx_hbtp_out_consume(): no event reports room. ENOTFOUND: no such stream; EINVAL: finished. */
DX_HBTP_API int64_t dx_hbtp_send(dx_hbtp_session *s, uint32_t stream, const void *data,
                                 size_t size);
/* Let the peer send `bytes` more. Small grants are collected until they reach half of the window
   (the most that the peer could send at once so far), or as much as the peer has left; then they
   are sent when there is room, or earlier with outgoing data. The speed is at most window / round
   trip: 32,768 bytes and 50 ms make 640 KiB/s. ENOTFOUND; ETOOBIG: more than dx_hbtp_credit_max()
   in all. */
DX_HBTP_API int dx_hbtp_grant(dx_hbtp_session *s, uint32_t stream, uint32_t bytes);
/* The most credit that a stream may have: 2^31 - 1 bytes. With payload_max below 16,388 a chunk may
   exceed payload_max; it is then delivered in pieces, before all of it has arrived. That is not
   possible with a cipher, a codec or require_checksum: then the limit is payload_max - 4, as one
   chunk may use all credit, until the peer has agreed to DX_HBTP_FEATURE_SPLIT. 0: s is NULL. */
DX_HBTP_API uint32_t dx_hbtp_credit_max(const dx_hbtp_session *s);
/* End our direction; everything sent before still arrives. status 0: complete; 400..599: the reason
   why it is not, text may be NULL. The stream ends when both sides have finished; ENDED may be
   reported inside. ENOTFOUND; EINVAL: finished before, or another status; ENOSPACE: nothing was
   sent, call again when there is room (dx_hbtp_reset() needs none); errors of the writers. */
DX_HBTP_API int dx_hbtp_finish(dx_hbtp_session *s, uint32_t stream, uint16_t status,
                               const char *text);
/* Cancel both directions; ENDED is reported inside. status 400..599; text may be NULL. Without room
   the peer gets the status later and no text. */
DX_HBTP_API int dx_hbtp_reset(dx_hbtp_session *s, uint32_t stream, uint16_t status,
                              const char *text);

/* >>subscriptions ------------------------------------------------------ */
/* Returns 0 to let the session subscribe to the state, or a status that refuses it. */
typedef int dx_hbtp_admit_fn(void *user, dx_hbtp_session *session, uint32_t state);

typedef struct dx_hbtp_hub_desc {
    void             *memory;          /* aligned to 8; borrowed. 48 bytes for each subscription,
                                          44 with 32-bit pointers */
    size_t            memory_size;
    uint32_t          per_session_max; /* 0: 64 */
    uint64_t          seed;            /* secret and random: peers choose the numbers of states, and
                                          must not be able to make them collide */
    dx_hbtp_admit_fn *admit;           /* NULL: every subscription is accepted */
    void             *user;            /* for admit */
} dx_hbtp_hub_desc;

typedef struct dx_hbtp_hub { /* subscriptions; caller-allocated, fields are private */
    struct dx_hbtp_p_entry *entries_;
    dx_hbtp_admit_fn       *admit_;
    void                   *user_;
    void                  (*changed_)(dx_hbtp_session *s); /* closed, or may have room. A pointer:
                                                              without a hub it is not linked */
    uint64_t                seed_;
    uint32_t                capacity_;        /* entries, and buckets */
    uint32_t                count_;           /* subscriptions */
    uint32_t                per_session_max_;
    uint32_t                free_;  /* first unused entry */
    uint32_t                ready_; /* oldest READY entry: next to catch up */
} dx_hbtp_hub;

/* EINVAL: no memory, not aligned. */
DX_HBTP_API int dx_hbtp_hub_init(dx_hbtp_hub *hub, const dx_hbtp_hub_desc *desc);
/* The handler for StateSubscribe and StateUnsubscribe, with the hub as the route's user. */
DX_HBTP_API int dx_hbtp_hub_handler(const dx_hbtp_context *context);
/* The same without a frame. A session is in one hub at most and leaves it when it closes (call
   dx_hbtp_abort() before its memory is reused). O(per_session_max). ETOOBIG: a limit; ENOTFOUND:
   not subscribed. */
DX_HBTP_API int dx_hbtp_subscribe(dx_hbtp_hub *hub, dx_hbtp_session *s, uint32_t state, bool on);
/* Send the state's number and `payload` to all subscribers: opcode StateSync (the whole state) or
   StateDelta (the change since). A subscriber without room in its response buffer falls behind, a
   new one starts behind; it gets no delta until the next whole state. Returns the number reached;
   EINVAL. */
DX_HBTP_API int64_t dx_hbtp_publish(dx_hbtp_hub *hub, uint32_t state, uint16_t opcode,
                                    const void *payload, size_t size);
/* Send the whole state, only to subscribers that are behind and may have room. */
DX_HBTP_API int64_t dx_hbtp_catch_up(dx_hbtp_hub *hub, uint32_t state, const void *payload,
                                     size_t size);
/* True: a subscriber to *state is behind and may have room; the one that has waited longest. After
   a failed attempt it is reported again only when a feed or tick of its session finds more room, so

       while (dx_hbtp_hub_behind(hub, &state)) dx_hbtp_catch_up(hub, state, ...);

   ends, and a subscriber that does not read delays no other. O(1). */
DX_HBTP_API bool    dx_hbtp_hub_behind(const dx_hbtp_hub *hub, uint32_t *state);

/* >>middleware --------------------------------------------------------- */
/* DX_HBTP_CHAIN(name, handler, A, B, C) defines `static int name(const dx_hbtp_context *c)`, a
   handler with one to eight hooks around it, all inlined. A hook A is a pair

       static inline int A_before(const dx_hbtp_context *c);
       static inline int A_after(const dx_hbtp_context *c, int result);

   before runs in the order given, after in reverse. A before returns 0 to continue, DX_HBTP_STOP if
   it has answered itself, or any other result of a handler to refuse (401 ...). Then only the
   hooks before it run their after. An after gets the result and returns the one that counts.
   context->user points to the state of the hooks: keep that of different hooks in different cache
   lines. When a result repeats the handler (ENOSPACE, EAGAIN), the hooks run again, too. */
enum { DX_HBTP_STOP = 2 };
#define DX_HBTP_CHAIN(name, handler, ...)                                                          \
    static int name(const dx_hbtp_context *c)                                                      \
    {                                                                                              \
        int result;                                                                                \
        DX_HBTP_P_CHAIN(DX_HBTP_P_COUNT(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, 0), handler,          \
                        __VA_ARGS__)                                                               \
        return result == DX_HBTP_STOP ? DX_HBTP_OK : result;                                       \
    }
#define DX_HBTP_P_COUNT(a, b, c, d, e, f, g, h, n, ...) n
#define DX_HBTP_P_CHAIN(n, handler, ...) DX_HBTP_P_JOIN(n, handler, __VA_ARGS__)
#define DX_HBTP_P_JOIN(n, handler, ...) DX_HBTP_P_CHAIN_##n(handler, __VA_ARGS__)
#define DX_HBTP_P_WRAP(hook, inner)              \
    result = hook##_before(c);                   \
    if (!result) {                               \
        inner result = hook##_after(c, result);  \
    }
#define DX_HBTP_P_CHAIN_1(h, a) DX_HBTP_P_WRAP(a, result = h(c);)
#define DX_HBTP_P_CHAIN_2(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_1(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_3(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_2(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_4(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_3(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_5(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_4(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_6(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_5(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_7(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_6(h, __VA_ARGS__))
#define DX_HBTP_P_CHAIN_8(h, a, ...) DX_HBTP_P_WRAP(a, DX_HBTP_P_CHAIN_7(h, __VA_ARGS__))

#ifdef __cplusplus
}
#endif
#endif /* DX_HBTP_H */

#if (defined(DX_HBTP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_HBTP_IMPLEMENTED)
#define DX_HBTP_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_HBTP_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_HBTP_ASSERT(c) assert(c)
  #else
    #define DX_HBTP_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_HBTP_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_HBTP_P_MEM(name) name
#endif
#ifndef DX_HBTP_MEMCPY
  #define DX_HBTP_MEMCPY DX_HBTP_P_MEM(memcpy)
#endif
#ifndef DX_HBTP_MEMMOVE
  #define DX_HBTP_MEMMOVE DX_HBTP_P_MEM(memmove)
#endif
#ifndef DX_HBTP_MEMSET
  #define DX_HBTP_MEMSET DX_HBTP_P_MEM(memset)
#endif

#if defined(__GNUC__) || defined(__clang__)
  #define DX_HBTP_P_RARELY(c) __builtin_expect((c), 0)
#else
  #define DX_HBTP_P_RARELY(c) (c)
#endif

#ifdef DX_HBTP_SMALL
  #define DX_HBTP_P_SMALL 1
#else
  #define DX_HBTP_P_SMALL 0
#endif
/* Defaults and fixed limits. */
enum {
    DX_HBTP_P_OUTSTANDING = 64,
    DX_HBTP_P_PENDING     = 64,
    DX_HBTP_P_FRAMES      = 1024,
    DX_HBTP_P_PER_SESSION = 64,   /* subscriptions */
    DX_HBTP_P_FRAME_S     = 60,   /* from the first byte of a frame to its last */
    DX_HBTP_P_STREAMS_MAX = 256,  /* streams are found by a linear search */
    DX_HBTP_P_CHUNK_ROOM  = 16,   /* bytes of a chunk besides its data */
    DX_HBTP_P_SPARE       = 64,   /* numbers tried before a GIVEN_UP slot is reused */
    DX_HBTP_P_VERSION     = 2,    /* the highest version implemented */
    DX_HBTP_P_PAYLOAD_MIN = 256   /* room for an error or a Hello */
};
#define DX_HBTP_P_SECOND 1000000000u  /* ns */
#define DX_HBTP_P_MS 1000000u         /* ns */

/* Fields: tag u8, size u16, value; see >>agreement. */
enum {
    DX_HBTP_P_FIELD_HEAD     = 3,
    DX_HBTP_P_EXTRA_DEADLINE = 1,
    DX_HBTP_P_FIELD_NEEDED   = 0x80 /* tags from here on must be understood */
};
#define DX_HBTP_P_NO_REQUEST 0x10000u /* dx_hbtp_out.request_: no sequence */
#define DX_HBTP_P_NONE 0x7fffffffu    /* no entry */
#define DX_HBTP_P_OPAQUE ((unsigned)(DX_HBTP_FLAG_COMPRESSED | DX_HBTP_FLAG_ENCRYPTED))

/* Rate limit of canceled streams (dx_hbtp_p_count_flood()): a burst of 1,000, then 33 a second. */
enum {
    DX_HBTP_P_CANCELS_MAX = 1000,
    DX_HBTP_P_CANCEL_NS   = 30000000
};

typedef enum dx_hbtp_p_slot_state {
    DX_HBTP_P_FREE,
    DX_HBTP_P_WAITING,
    DX_HBTP_P_ANSWERED,
    DX_HBTP_P_GIVEN_UP /* expired or canceled: a late answer may still come */
} dx_hbtp_p_slot_state;

struct dx_hbtp_p_slot { /* an own request; readable until the slot is reused */
    uint64_t deadline_ns;
    void    *user;
    uint16_t sequence;
    uint8_t  state;     /* dx_hbtp_p_slot_state */
    bool     ping;      /* the answer is a Pong */
};

/* Version 2, reached through a pointer, so that programs without Hello and drain do not link it. */
struct dx_hbtp_p_v2_hooks {
    int    (*check)(dx_hbtp_session *s, dx_hbtp_frame *frame); /* before the handler */
    int    (*on_frame)(const dx_hbtp_context *c); /* no handler set: Drain, RpcCancel */
    bool   (*on_result)(dx_hbtp_session *s, const dx_hbtp_result *result); /* is it ours? */
    size_t (*put_head)(const dx_hbtp_session *s, uint8_t *out, const uint8_t *head, size_t size,
                       uint64_t deadline_ns); /* prefix a request's head with fields */
};

/* dx_hbtp_p_stream.ends. CANCELED: canceled here and reported to the program, but the peer has not
   been sent the End yet; lookups for the program skip it. OURS in the id: we opened the stream. */
enum {
    DX_HBTP_P_SENT_END = 1,
    DX_HBTP_P_GOT_END  = 2,
    DX_HBTP_P_CANCELED = 4,
    DX_HBTP_P_OURS     = 0x10000
};

struct dx_hbtp_p_stream {
    void    *user;
    uint32_t id;             /* sequence; with OURS if we opened it */
    uint32_t send_credit;    /* bytes that we may send */
    uint32_t receive_credit; /* bytes that the peer may send, as far as sent to it */
    uint32_t window;         /* the largest receive_credit so far */
    uint32_t grant;          /* granted by the program, not sent to the peer */
    uint16_t ends;           /* SENT_END, GOT_END, CANCELED */
    uint16_t status;         /* of the peer's End; CANCELED: of ours */
};

/* A subscription, see >>hub. Entries link to each other by index. */
typedef enum dx_hbtp_p_place {
    DX_HBTP_P_CURRENT, /* has the latest state */
    DX_HBTP_P_READY,   /* is behind and may have room */
    DX_HBTP_P_STUCK    /* is behind and had no room */
} dx_hbtp_p_place;

struct dx_hbtp_p_entry {
    dx_hbtp_session *session;
    uint32_t         state;
    uint32_t         place;        /* dx_hbtp_p_place */
    uint32_t         next;         /* ring of its state */
    uint32_t         previous;
    uint32_t         session_next; /* ring of its session */
    uint32_t         session_previous;
    uint32_t         ready;        /* ring of READY entries, oldest first */
    uint32_t         ready_previous;
    uint32_t         chain;        /* of a head: the next head in its bucket */
    uint32_t         bucket;       /* not of this entry: the first head of bucket number i */
};

typedef char dx_hbtp_p_header_is_8[sizeof(dx_hbtp_header) == DX_HBTP_HEADER_SIZE ? 1 : -1];
typedef char dx_hbtp_p_descriptor_is_16[sizeof(dx_hbtp_descriptor) == 16 ? 1 : -1];

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_hbtp_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_hbtp_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_hbtp_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_hbtp_p_load32(p) | (uint64_t)dx_hbtp_p_load32(p + 4) << 32;
}

static void dx_hbtp_p_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static void dx_hbtp_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_hbtp_p_store64(uint8_t *p, uint64_t v)
{
    dx_hbtp_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_hbtp_p_store32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t dx_hbtp_p_rotate(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }

/* HalfSipHash-1-3 of eight bytes, for tables whose keys others choose: without the seed nobody can
   tell which keys meet. */
static uint32_t dx_hbtp_p_keyed_hash(uint64_t seed, uint64_t key)
{
    const uint32_t k0 = (uint32_t)(seed & UINT32_MAX), k1 = (uint32_t)(seed >> 32);
    const uint32_t words[6] = {(uint32_t)(key & UINT32_MAX), (uint32_t)(key >> 32),
                               (uint32_t)8 << 24, 0, 0, 0};
    uint32_t a = k0, b = k1, c = k0 ^ 0x6c796765u, d = k1 ^ 0x74656462u;
    unsigned i;
    for (i = 0; i < 6; i++) {
        if (i == 3) c ^= 0xff;
        d ^= words[i];
        a += b;
        b = dx_hbtp_p_rotate(b, 27) ^ a;
        a = dx_hbtp_p_rotate(a, 16);
        c += d;
        d = dx_hbtp_p_rotate(d, 24) ^ c;
        a += d;
        d = dx_hbtp_p_rotate(d, 25) ^ a;
        c += b;
        b = dx_hbtp_p_rotate(b, 19) ^ c;
        c = dx_hbtp_p_rotate(c, 16);
        a ^= words[i];
    }
    return b ^ d;
}

/* CRC-32C (RFC 3720 appendix B.4), a nibble at a time, as the table then takes 64 bytes. */
#ifndef DX_HBTP_CRC32C
#define DX_HBTP_CRC32C dx_hbtp_p_crc32c
static uint32_t dx_hbtp_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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
#define DX_HBTP_P_TEXT(value, constant, text) case value: return text;
#define DX_HBTP_P_ERROR(value, constant, status) case value: return "DX_HBTP_" #constant;
#define DX_HBTP_P_STATUS(value, constant, status) case value: return status;
#define DX_HBTP_P_DEFINED(value, constant, text) case value: return true;
#define DX_HBTP_P_FIND(value, list, result, other) \
    switch (value) {                               \
    list(result) default: return other;            \
    }

DX_HBTP_API const char *dx_hbtp_error_name(int error)
{
    DX_HBTP_P_FIND(error, DX_HBTP_ERRORS, DX_HBTP_P_ERROR, "unknown error")
}

DX_HBTP_API const char *dx_hbtp_opcode_name(uint16_t opcode)
{
    if (opcode >= DX_HBTP_OP_EXTENDED_FIRST) opcode = DX_HBTP_OP_EXTENDED;
    DX_HBTP_P_FIND(opcode, DX_HBTP_OPCODES, DX_HBTP_P_TEXT, "Unknown")
}

DX_HBTP_API bool dx_hbtp_opcode_is_defined(uint16_t opcode)
{
    DX_HBTP_P_FIND(opcode, DX_HBTP_OPCODES, DX_HBTP_P_DEFINED, false)
}

DX_HBTP_API const char *dx_hbtp_status_text(uint16_t status) /* at most 24 bytes: REPLY_ROOM */
{
    DX_HBTP_P_FIND(DX_HBTP_P_SMALL ? 0u : status, DX_HBTP_STATUSES, DX_HBTP_P_TEXT, "error")
}

DX_HBTP_API uint16_t dx_hbtp_status_of_error(int error)
{
    DX_HBTP_P_FIND(error, DX_HBTP_ERRORS, DX_HBTP_P_STATUS, DX_HBTP_STATUS_INTERNAL)
}

/* A status that a program may give for a failure: a client or server error, as in HTTP. */
static bool dx_hbtp_p_is_status(int value) { return value >= 400 && value <= 599; }

/* The status for a handler's result or an error. */
static uint16_t dx_hbtp_p_status(int result)
{
    return dx_hbtp_p_is_status(result) ? (uint16_t)result : dx_hbtp_status_of_error(result);
}

/* >>codec ---------------------------------------------------------------
   Eight bytes of header give the length of every frame, whatever its opcode:

       0        1       2          4        8                  8 + length
       | opcode | flags | sequence | length | payload ...      | CRC-32C, with HAS_CHECKSUM |

   Parsing never copies: a frame is a view of the bytes. A payload may begin with a head of its own:
   the opcode of an Extended frame, the method of an RpcCall, the prefix of a FileChunk. Each is
   removed by advancing the view, after its size has been checked. */
static bool dx_hbtp_p_fits_32(uint64_t size) /* 64 bits, for a 32-bit size_t */
{
    return size <= UINT32_MAX;
}

static size_t dx_hbtp_p_length(const char *text)
{
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

/* The payload is unreadable until a codec has decoded it. */
static bool dx_hbtp_p_is_opaque(uint8_t flags)
{
    return (flags & DX_HBTP_P_OPAQUE) != 0;
}

/* Frames that end a request or the connection. Never requests themselves, whatever their flags. */
static bool dx_hbtp_p_is_answer(uint16_t opcode)
{
    return opcode == DX_HBTP_OP_PONG || opcode == DX_HBTP_OP_CLOSE ||
           opcode == DX_HBTP_OP_RPC_RESPONSE || opcode == DX_HBTP_OP_RPC_ERROR;
}

/* Frames that are answered; no other frame ever is, or two peers could
   answer each other forever. */
static bool dx_hbtp_p_is_request(uint16_t opcode, uint8_t flags)
{
    if (opcode == DX_HBTP_OP_PING || opcode == DX_HBTP_OP_RPC_CALL ||
        opcode == DX_HBTP_OP_RPC_STREAM_START)
        return true;
    return (flags & DX_HBTP_FLAG_EXPECTS_RESPONSE) != 0 && !dx_hbtp_p_is_answer(opcode) &&
           opcode != DX_HBTP_OP_RPC_STREAM_CHUNK && opcode != DX_HBTP_OP_RPC_STREAM_END;
}

/* May the program answer later? The session itself answers pings, stream starts and drains. */
static bool dx_hbtp_p_may_pend(uint16_t opcode, uint8_t flags)
{
    return opcode != DX_HBTP_OP_PING && opcode != DX_HBTP_OP_RPC_STREAM_START &&
           opcode != DX_HBTP_OP_DRAIN && dx_hbtp_p_is_request(opcode, flags);
}

DX_HBTP_API int dx_hbtp_parse_header(const void *bytes, size_t size, dx_hbtp_header *header)
{
    const uint8_t *p = (const uint8_t *)bytes;
    if (size < DX_HBTP_HEADER_SIZE) return 0;
    header->opcode = p[0];
    header->flags = p[1];
    header->sequence = dx_hbtp_p_load16(p + 2);
    header->length = dx_hbtp_p_load32(p + 4);
    return DX_HBTP_HEADER_SIZE;
}

DX_HBTP_API void dx_hbtp_put_header(uint8_t bytes[8], const dx_hbtp_header *header)
{
    bytes[0] = header->opcode;
    bytes[1] = header->flags;
    dx_hbtp_p_store16(bytes + 2, header->sequence);
    dx_hbtp_p_store32(bytes + 4, header->length);
}

DX_HBTP_API int64_t dx_hbtp_parse_any(const void *bytes, size_t size, uint32_t payload_max,
                                      dx_hbtp_frame *frame)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_hbtp_header h;
    uint64_t total = DX_HBTP_HEADER_SIZE; /* the sum may exceed a 32-bit size_t */
    if (!frame || (!p && size)) return DX_HBTP_EINVAL;
    frame->frame_size = total;
    if (!dx_hbtp_parse_header(p, size, &h)) return 0;
    total += h.length;
    if (h.flags & DX_HBTP_FLAG_HAS_CHECKSUM) total += DX_HBTP_CHECKSUM_SIZE;
    frame->payload = p + DX_HBTP_HEADER_SIZE;
    frame->payload_size = h.length;
    frame->opcode = h.opcode;
    frame->sequence = h.sequence;
    frame->flags = h.flags;
    if (h.length > payload_max) return DX_HBTP_ETOOBIG;
    frame->frame_size = total;
    if (size < total) return 0;
    DX_HBTP_ASSERT(h.length <= payload_max && total >= DX_HBTP_HEADER_SIZE + (uint64_t)h.length);
    if (h.flags & DX_HBTP_FLAG_HAS_CHECKSUM) {
        if (DX_HBTP_P_SMALL) return DX_HBTP_ENOTSUP;
        size = DX_HBTP_HEADER_SIZE + (size_t)h.length;
        if (DX_HBTP_CRC32C(0, p, size) != dx_hbtp_p_load32(p + size)) return DX_HBTP_ECORRUPT;
    }
    return (int64_t)total;
}

DX_HBTP_API int dx_hbtp_resolve_extended(dx_hbtp_frame *frame)
{
    uint16_t opcode;
    if (!frame) return DX_HBTP_EINVAL;
    if (frame->opcode != DX_HBTP_OP_EXTENDED || dx_hbtp_p_is_opaque(frame->flags))
        return DX_HBTP_OK;
    if (frame->payload_size < 2) return DX_HBTP_ETRUNCATED;
    opcode = dx_hbtp_p_load16(frame->payload);
    if (opcode < DX_HBTP_OP_EXTENDED_FIRST) return DX_HBTP_ECORRUPT;
    DX_HBTP_ASSERT(frame->payload);
    frame->opcode = opcode;
    frame->payload += 2;
    frame->payload_size -= 2;
    return DX_HBTP_OK;
}

static void dx_hbtp_p_describe(dx_hbtp_descriptor *d, const uint8_t *p, size_t at)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    DX_HBTP_MEMCPY(d, p + at, DX_HBTP_HEADER_SIZE); /* the same in one load and one store */
#else
    d->opcode = p[at];
    d->flags = p[at + 1];
    d->sequence = dx_hbtp_p_load16(p + at + 2);
    d->payload_size = dx_hbtp_p_load32(p + at + 4);
#endif
    d->payload_offset = (uint32_t)at + DX_HBTP_HEADER_SIZE;
    d->reserved = 0;
}

/* Fast path of a batch: frames without a checksum that lie whole in the bytes. Each is predicted to
   be as long as the one before: if that holds, the next load does not depend on this length. */
static size_t dx_hbtp_p_parse_plain(const uint8_t *p, size_t size, uint32_t payload_max,
                                    dx_hbtp_descriptor *d, size_t capacity, size_t *used)
{
    size_t at = *used;
    size_t n = 0;
    size_t stride = DX_HBTP_HEADER_SIZE; /* frame size for the predicted payload size */
    uint32_t guess = 0;
    for (; n < capacity && size - at >= DX_HBTP_HEADER_SIZE; n++) {
        const uint32_t length = dx_hbtp_p_load32(p + at + 4);
        if (DX_HBTP_P_RARELY(length != guess)) {
            if (length > payload_max || length > size - at - DX_HBTP_HEADER_SIZE) break;
            guess = length;
            stride = DX_HBTP_HEADER_SIZE + (size_t)length;
        }
        if (DX_HBTP_P_RARELY((p[at + 1] & DX_HBTP_FLAG_HAS_CHECKSUM) || size - at < stride)) break;
        dx_hbtp_p_describe(&d[n], p, at);
        at += stride;
    }
    DX_HBTP_ASSERT(at <= size && n <= capacity);
    *used = at;
    return n;
}

DX_HBTP_API int64_t dx_hbtp_parse_batch(const void *bytes, size_t size, uint32_t payload_max,
                                        dx_hbtp_descriptor *descriptors, size_t capacity,
                                        size_t *count)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_hbtp_frame frame;
    size_t at = 0, n = 0;
    int64_t used = 0;
    if (!count || (!p && size) || (!descriptors && capacity)) return DX_HBTP_EINVAL;
    *count = 0;
    if (!size) return 0;
    if (!dx_hbtp_p_fits_32(size)) size = (size_t)UINT32_MAX;
    for (;;) {
        n += dx_hbtp_p_parse_plain(p, size, payload_max, descriptors + n, capacity - n, &at);
        /* A checksum, an incomplete or refused frame, or no descriptor left. */
        if (n == capacity) break;
        used = dx_hbtp_parse_any(p + at, size - at, payload_max, &frame);
        if (used <= 0) break;
        dx_hbtp_p_describe(&descriptors[n++], p, at);
        at += (size_t)used;
    }
    DX_HBTP_ASSERT(n <= capacity && at <= size && used <= (int64_t)size);
    *count = n;
    return n ? (int64_t)at : used;
}

DX_HBTP_API int dx_hbtp_group(const dx_hbtp_descriptor *descriptors, size_t count, uint32_t *order)
{
    uint32_t first[256]; /* frames of each opcode; then the position of its next one */
    uint32_t sum = 0;
    size_t i;
    if ((!descriptors || !order) && count) return DX_HBTP_EINVAL;
    if (!dx_hbtp_p_fits_32(count)) return DX_HBTP_ETOOBIG;
    DX_HBTP_MEMSET(first, 0, sizeof first);
    for (i = 0; i < count; i++) first[descriptors[i].opcode]++;
    for (i = 0; i < 256; i++) {
        const uint32_t n = first[i];
        first[i] = sum;
        sum += n;
    }
    DX_HBTP_ASSERT(sum == count);
    for (i = 0; i < count; i++) order[first[descriptors[i].opcode]++] = (uint32_t)i;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_parse_rpc_error(const dx_hbtp_frame *frame, uint16_t *status,
                                        const char **text, size_t *text_size)
{
    if (!frame || !status || !text || !text_size) return DX_HBTP_EINVAL;
    *status = DX_HBTP_STATUS_NONE;
    *text = "";
    *text_size = 0;
    if (dx_hbtp_p_is_opaque(frame->flags)) return DX_HBTP_ENOTSUP;
    if (!frame->payload_size && frame->opcode == DX_HBTP_OP_CLOSE) return DX_HBTP_OK;
    if (frame->payload_size < 4) return DX_HBTP_ETRUNCATED;
    if (dx_hbtp_p_load16(frame->payload + 2) != 0) return DX_HBTP_ECORRUPT;
    if (frame->opcode == DX_HBTP_OP_RPC_ERROR &&
        !dx_hbtp_p_is_status(dx_hbtp_p_load16(frame->payload)))
        return DX_HBTP_ECORRUPT; /* status 0 would be an error without a reason */
    *status = dx_hbtp_p_load16(frame->payload);
    *text = (const char *)(frame->payload + 4);
    *text_size = frame->payload_size - 4u;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_parse_file_chunk(const dx_hbtp_frame *frame, dx_hbtp_file_chunk *chunk)
{
    if (!frame || !chunk || frame->opcode != DX_HBTP_OP_FILE_CHUNK ||
        dx_hbtp_p_is_opaque(frame->flags))
        return DX_HBTP_EINVAL;
    if (frame->payload_size < DX_HBTP_FILE_CHUNK_PREFIX) return DX_HBTP_ETRUNCATED;
    chunk->transfer = dx_hbtp_p_load32(frame->payload);
    chunk->offset = dx_hbtp_p_load64(frame->payload + 8);
    chunk->data = frame->payload + DX_HBTP_FILE_CHUNK_PREFIX;
    chunk->data_size = frame->payload_size - DX_HBTP_FILE_CHUNK_PREFIX;
    chunk->final = (frame->flags & DX_HBTP_FLAG_FINAL) != 0;
    if (chunk->data_size > UINT64_MAX - chunk->offset ||
        DX_HBTP_CRC32C(0, chunk->data, chunk->data_size) != dx_hbtp_p_load32(frame->payload + 4))
        return DX_HBTP_ECORRUPT;
    return DX_HBTP_OK;
}

/* >>writers -------------------------------------------------------------
   The response buffer is a window that moves to the right as bytes are sent and added:

       memory_      begin_            used_             limit_        size_
       | sent       | to be sent      | room for writers | for answers |
                                      ^ the next frame: header, then payload

   A writer checks that its whole frame fits (reserve), stores the payload in its final place, and
   the header last (finish). So a frame is written whole or not at all, a payload that is already in
   place is not copied, and a cipher encrypts in place. The answer of the running handler may extend
   to size_, all other frames to limit_. */
#define DX_HBTP_P_IS_SOUND(out) /* a macro: only assertions use it */                           \
    ((out)->begin_ <= (out)->used_ && (out)->used_ <= (out)->size_ && (out)->limit_ <= (out)->size_)

DX_HBTP_API int dx_hbtp_out_init(dx_hbtp_out *out, void *memory, size_t size)
{
    if (!out) return DX_HBTP_EINVAL;
    DX_HBTP_MEMSET(out, 0, sizeof *out); /* without memory, too: then every writer refuses */
    if (!memory) return DX_HBTP_EINVAL;
    out->memory_ = (uint8_t *)memory;
    out->size_ = size ? size : (size_t)DX_HBTP_OUT_SIZE;
    out->limit_ = out->size_;
    out->request_ = DX_HBTP_P_NO_REQUEST;
    return DX_HBTP_OK;
}

DX_HBTP_API void dx_hbtp_out_reset(dx_hbtp_out *out)
{
    out->begin_ = 0;
    out->used_ = 0;
    out->committed_ = true; /* the mark of a running handler is void */
}

DX_HBTP_API void dx_hbtp_out_set_checksum(dx_hbtp_out *out, bool on)
{
    out->flags_ = (uint8_t)((out->flags_ & ~DX_HBTP_FLAG_HAS_CHECKSUM) |
                            (on ? DX_HBTP_FLAG_HAS_CHECKSUM : 0));
}

DX_HBTP_API int dx_hbtp_out_set_payload_max(dx_hbtp_out *out, uint32_t payload_max)
{
    if (!out || (payload_max && payload_max < DX_HBTP_P_PAYLOAD_MIN)) return DX_HBTP_EINVAL;
    out->payload_over_ = payload_max ? payload_max + 1 : 0; /* 2^32 - 1 becomes 0: no limit */
    return DX_HBTP_OK;
}

DX_HBTP_API const uint8_t *dx_hbtp_out_data(const dx_hbtp_out *out, size_t *size)
{
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(out));
    *size = out->used_ - out->begin_;
    return out->memory_ + out->begin_;
}

/* Move the rest to the front once it is at most as long as what was sent, so that each byte sent
   pays for moving one; or at once, if answers have used the room reserved for them. */
DX_HBTP_API int dx_hbtp_out_consume(dx_hbtp_out *out, size_t size)
{
    size_t left;
    if (!out || size > out->used_ - out->begin_) return DX_HBTP_EINVAL;
    if (!size) return DX_HBTP_OK;
    out->committed_ = true;
    out->begin_ += size;
    left = out->used_ - out->begin_;
    if (left > out->begin_ && out->used_ <= out->limit_) return DX_HBTP_OK;
    if (left) DX_HBTP_MEMMOVE(out->memory_, out->memory_ + out->begin_, left);
    out->begin_ = 0;
    out->used_ = left;
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(out));
    return DX_HBTP_OK;
}

DX_HBTP_API size_t dx_hbtp_out_room(const dx_hbtp_out *out)
{
    const bool answer = out->request_ != DX_HBTP_P_NO_REQUEST && !out->answered_;
    const size_t limit = answer ? out->size_ : out->limit_;
    return limit > out->used_ ? limit - out->used_ : 0;
}

DX_HBTP_API uint8_t *dx_hbtp_out_next(const dx_hbtp_out *out)
{
    return out->memory_ + out->used_ + DX_HBTP_HEADER_SIZE;
}

/* Bytes that encryption adds to each frame. */
static size_t dx_hbtp_p_tag(const dx_hbtp_out *out)
{
    return !DX_HBTP_P_SMALL && out->cipher_ ? (size_t)DX_HBTP_TAG_SIZE : 0;
}

/* The first four bytes of a header as a number, the `word` of all writers. */
static uint32_t dx_hbtp_p_word(uint16_t opcode, unsigned flags, uint16_t sequence)
{
    return (opcode < DX_HBTP_OP_EXTENDED_FIRST ? opcode : (uint32_t)DX_HBTP_OP_EXTENDED) |
           (uint32_t)flags << 8 | (uint32_t)sequence << 16;
}

/* Is the frame the answer to the request being handled? */
static bool dx_hbtp_p_is_awaited(const dx_hbtp_out *out, uint32_t word)
{
    return word >> 16 == out->request_ && !out->answered_ &&
           dx_hbtp_p_is_answer((uint16_t)(word & 0xff));
}

/* Check that a frame fits whose payload is a head and `size` bytes. */
static int dx_hbtp_p_reserve(const dx_hbtp_out *out, uint32_t word, size_t head_size, size_t size)
{
    size_t need; /* bytes besides the payload; then with those already in the buffer */
    size_t limit;
    if (!out || !out->memory_) return DX_HBTP_EINVAL;
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(out) && head_size <= DX_HBTP_FILE_CHUNK_PREFIX);
    DX_HBTP_ASSERT(!out->payload_over_ || out->payload_over_ > DX_HBTP_P_PAYLOAD_MIN);
    head_size += dx_hbtp_p_tag(out);
    if ((out->payload_over_ && size >= out->payload_over_ - head_size) ||
        (sizeof size > 4 && size > UINT32_MAX - head_size))
        return DX_HBTP_ETOOBIG; /* unreachable with a 32-bit size_t */
    need = DX_HBTP_HEADER_SIZE + head_size;
    if ((word >> 8 | out->flags_) & DX_HBTP_FLAG_HAS_CHECKSUM) {
        if (DX_HBTP_P_SMALL) return DX_HBTP_ENOTSUP;
        need += DX_HBTP_CHECKSUM_SIZE;
    }
    limit = dx_hbtp_p_is_awaited(out, word) ? out->size_ : out->limit_;
    need += out->used_; /* no memory is large enough to wrap this */
    return need > limit || size > limit - need ? DX_HBTP_ENOSPACE : DX_HBTP_OK;
}

/* Complete the frame: the payload is in place; add header, tag and checksum. */
static int dx_hbtp_p_finish(dx_hbtp_out *out, uint32_t word, size_t size)
{
    uint8_t *p = out->memory_ + out->used_;
    dx_hbtp_cipher *cipher = DX_HBTP_P_SMALL ? NULL : out->cipher_;
    size_t total = DX_HBTP_HEADER_SIZE + size + dx_hbtp_p_tag(out);
    dx_hbtp_p_store32(p, word | (uint32_t)out->flags_ << 8);
    dx_hbtp_p_store32(p + 4, (uint32_t)(total - DX_HBTP_HEADER_SIZE));
    if (cipher && (cipher->sealed == UINT64_MAX ||
                   cipher->seal(cipher->user, cipher->sealed, p, p + DX_HBTP_HEADER_SIZE, size)))
        return DX_HBTP_ESYS;
    if (cipher) cipher->sealed++; /* only now: a frame that was not written must not leave a gap */
    if (!DX_HBTP_P_SMALL && (p[1] & DX_HBTP_FLAG_HAS_CHECKSUM)) {
        dx_hbtp_p_store32(p + total, DX_HBTP_CRC32C(0, p, total));
        total += DX_HBTP_CHECKSUM_SIZE;
    }
    DX_HBTP_ASSERT(total <= out->size_ - out->used_);
    out->used_ += total;
    if (dx_hbtp_p_is_awaited(out, word)) out->answered_ = true;
    return DX_HBTP_OK;
}

/* Write a frame whose payload is a short head followed by the caller's bytes. */
static int dx_hbtp_p_write(dx_hbtp_out *out, uint32_t word, const uint8_t *head, size_t head_size,
                           const void *payload, size_t size)
{
    int error = !payload && size ? DX_HBTP_EINVAL : dx_hbtp_p_reserve(out, word, head_size, size);
    uint8_t *p;
    if (error) return error;
    DX_HBTP_ASSERT(head || !head_size);
    p = dx_hbtp_out_next(out);
    if (size && p + head_size != payload) DX_HBTP_MEMMOVE(p + head_size, payload, size);
    if (head_size) DX_HBTP_MEMCPY(p, head, head_size);
    return dx_hbtp_p_finish(out, word, head_size + size);
}

DX_HBTP_API int dx_hbtp_write_frame(dx_hbtp_out *out, uint16_t opcode, uint8_t flags,
                                    uint16_t sequence, const void *payload, size_t size)
{
    uint8_t real[2];
    dx_hbtp_p_store16(real, opcode);
    return dx_hbtp_p_write(out, dx_hbtp_p_word(opcode, flags, sequence), real,
                           opcode < DX_HBTP_OP_EXTENDED_FIRST ? 0 : 2, payload, size);
}

DX_HBTP_API int dx_hbtp_write_pong(dx_hbtp_out *out, uint16_t sequence, const void *payload,
                                   size_t size)
{
    return dx_hbtp_write_frame(out, DX_HBTP_OP_PONG, 0, sequence, payload, size);
}

DX_HBTP_API int dx_hbtp_write_rpc_call(dx_hbtp_out *out, uint16_t sequence, uint8_t method,
                                       const void *arguments, size_t size)
{
    const uint32_t word =
        dx_hbtp_p_word(DX_HBTP_OP_RPC_CALL, DX_HBTP_FLAG_EXPECTS_RESPONSE, sequence);
    return dx_hbtp_p_write(out, word, &method, 1, arguments, size);
}

/* RpcError, Close: status u16, reserved u16, text. */
static int dx_hbtp_p_write_status(dx_hbtp_out *out, uint32_t word, uint16_t status,
                                  const char *text)
{
    uint8_t head[4];
    if (!text) text = dx_hbtp_status_text(status);
    DX_HBTP_ASSERT(text);
    dx_hbtp_p_store32(head, status);
    return dx_hbtp_p_write(out, word, head, sizeof head, text, dx_hbtp_p_length(text));
}

DX_HBTP_API int dx_hbtp_write_rpc_error(dx_hbtp_out *out, uint16_t sequence, uint16_t status,
                                        const char *text)
{
    if (!dx_hbtp_p_is_status(status)) return DX_HBTP_EINVAL;
    return dx_hbtp_p_write_status(out, dx_hbtp_p_word(DX_HBTP_OP_RPC_ERROR, 0, sequence), status,
                                  text);
}

DX_HBTP_API int dx_hbtp_write_state_sync(dx_hbtp_out *out, uint16_t sequence, bool compressed,
                                         const void *payload, size_t size)
{
    return dx_hbtp_write_frame(out, DX_HBTP_OP_STATE_SYNC,
                               compressed ? DX_HBTP_FLAG_COMPRESSED : 0, sequence, payload, size);
}

/* Where up to packed_max bytes may be compressed to: into the frame, or, if the payload itself lies
   in the free part of the buffer, after it. NULL: no room there. */
static uint8_t *dx_hbtp_p_pack_place(const dx_hbtp_out *out, const void *payload, size_t size,
                                     size_t packed_max)
{
    uint8_t *const place = dx_hbtp_out_next(out);
    uint8_t *const end = out->memory_ + out->size_;
    const uintptr_t begin = (uintptr_t)payload;
    size_t behind;
    DX_HBTP_ASSERT(packed_max <= size && place <= end);
    if (begin >= (uintptr_t)end || begin + size <= (uintptr_t)place) return place;
    behind = (size_t)(begin + size - (uintptr_t)place);
    return packed_max <= (size_t)(end - place) - behind ? place + behind : NULL;
}

DX_HBTP_API int dx_hbtp_write_packed(dx_hbtp_out *out, const dx_hbtp_codec *codec, uint16_t opcode,
                                     uint8_t flags, uint16_t sequence, const void *payload,
                                     size_t size)
{
    const uint32_t word = dx_hbtp_p_word(opcode, flags | DX_HBTP_FLAG_COMPRESSED, sequence);
    const size_t packed_max = size - size / 8;
    size_t packed;
    uint8_t *place;
    int error;
    if (opcode >= DX_HBTP_OP_EXTENDED_FIRST || (!payload && size)) return DX_HBTP_EINVAL;
    if (codec && size >= 8) {
        error = dx_hbtp_p_reserve(out, word, 0, packed_max);
        if (error) return error;
        place = dx_hbtp_p_pack_place(out, payload, size, packed_max);
        packed = place ? codec->pack(codec->user, payload, size, place, packed_max) : 0;
        DX_HBTP_ASSERT(packed <= packed_max);
        if (packed && place != dx_hbtp_out_next(out))
            DX_HBTP_MEMMOVE(dx_hbtp_out_next(out), place, packed);
        if (packed) return dx_hbtp_p_finish(out, word, packed);
    }
    return dx_hbtp_write_frame(out, opcode, flags, sequence, payload, size);
}

DX_HBTP_API int dx_hbtp_write_close(dx_hbtp_out *out, uint16_t status, const char *text)
{
    const uint32_t word = dx_hbtp_p_word(DX_HBTP_OP_CLOSE, DX_HBTP_FLAG_FINAL, 0);
    return status ? dx_hbtp_p_write_status(out, word, status, text)
                  : dx_hbtp_p_write(out, word, NULL, 0, NULL, 0);
}

DX_HBTP_API int dx_hbtp_write_file_chunk(dx_hbtp_out *out, uint16_t sequence,
                                         const dx_hbtp_file_chunk *chunk)
{
    uint8_t head[DX_HBTP_FILE_CHUNK_PREFIX];
    if (!chunk || (!chunk->data && chunk->data_size) ||
        chunk->data_size > UINT64_MAX - chunk->offset)
        return DX_HBTP_EINVAL;
    dx_hbtp_p_store32(head, chunk->transfer);
    dx_hbtp_p_store32(head + 4, DX_HBTP_CRC32C(0, chunk->data, chunk->data_size));
    dx_hbtp_p_store64(head + 8, chunk->offset);
    return dx_hbtp_p_write(out,
                           dx_hbtp_p_word(DX_HBTP_OP_FILE_CHUNK,
                                          chunk->final ? DX_HBTP_FLAG_FINAL : 0, sequence),
                           head, sizeof head, chunk->data, chunk->data_size);
}

/* >>sending ------------------------------------------------------------
   Frames that a session sends on its own leave reply_room bytes of the response buffer to answers.
   So both sides can always accept a frame that is not a request, and neither stops reading because
   its own output waits. Two sessions that only stream cannot deadlock; for requests see PROGRESS.

       0                                                  limit                 size
       | sent | to be sent |   room for writers       | deferred | for answers |

   deferred: reserved while a stream has a frame that had no room (>>flow); other writers do not
   get it, so that they cannot starve the stream. */
enum {
    DX_HBTP_P_OWN_ROOM      = 128, /* the least that is left to writers */
    DX_HBTP_P_DEFERRED_ROOM = 64,
    DX_HBTP_P_ANSWER_ROOM   = 64 /* an RpcError, encrypted and with a checksum */
};

/* Limit for deferred frames of streams. 0: a handler waits for room and gets it first. */
static size_t dx_hbtp_p_deferred_limit(const dx_hbtp_session *s)
{
    DX_HBTP_ASSERT(s->desc.out->size_ - s->desc.reply_room >= DX_HBTP_P_OWN_ROOM);
    return s->handler_waits_ ? 0 : s->desc.out->size_ - s->desc.reply_room;
}

/* Is there room for the answer to a request or (failed) for the frames that end a session? */
static bool dx_hbtp_p_can_answer(const dx_hbtp_session *s, bool failed)
{
    const dx_hbtp_out *out = s->desc.out;
    DX_HBTP_ASSERT(out->used_ <= out->size_);
    return out->size_ - out->used_ >= (failed ? 2u : 1u) * DX_HBTP_P_ANSWER_ROOM;
}

/* Limit for all other frames that the session sends. */
static size_t dx_hbtp_p_limit(const dx_hbtp_session *s)
{
    const size_t limit = dx_hbtp_p_deferred_limit(s);
    DX_HBTP_ASSERT(!limit || limit >= DX_HBTP_P_OWN_ROOM);
    return limit && s->deferred_ ? limit - DX_HBTP_P_DEFERRED_ROOM : limit;
}

/* Reserve room for deferred frames of streams, or release it. */
static void dx_hbtp_p_set_deferred(dx_hbtp_session *s, bool deferred)
{
    s->deferred_ = deferred;
    s->desc.out->limit_ = dx_hbtp_p_limit(s);
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(s->desc.out));
}

/* Room for frames that are not answers. */
static size_t dx_hbtp_p_own_room(const dx_hbtp_session *s)
{
    const size_t limit = dx_hbtp_p_limit(s);
    return limit > s->desc.out->used_ ? limit - s->desc.out->used_ : 0;
}

/* Commit the output, and notify a driver that is not inside dx_hbtp_feed(). */
static void dx_hbtp_p_wrote(dx_hbtp_session *s)
{
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(s->desc.out));
    s->desc.out->committed_ = true;
    if (s->desc.on_output && !s->feeding_) s->desc.on_output(s);
}

/* Send a frame that belongs to a change of the session's state, and so is never rolled back. */
static int dx_hbtp_p_send_within(dx_hbtp_session *s, size_t limit, uint32_t word,
                                 const uint8_t *head, size_t head_size, const void *payload,
                                 size_t size)
{
    dx_hbtp_out *const out = s->desc.out;
    const size_t before = out->limit_;
    int error;
    DX_HBTP_ASSERT(limit <= out->size_);
    out->limit_ = limit;
    error = dx_hbtp_p_write(out, word, head, head_size, payload, size);
    out->limit_ = before;
    if (!error) dx_hbtp_p_wrote(s);
    return error;
}

static int dx_hbtp_p_send(dx_hbtp_session *s, uint32_t word, const uint8_t *head, size_t head_size,
                          const void *payload, size_t size)
{
    return dx_hbtp_p_send_within(s, dx_hbtp_p_limit(s), word, head, head_size, payload, size);
}

static int dx_hbtp_p_send_status(dx_hbtp_session *s, uint32_t word, uint16_t status,
                                 const char *text)
{
    uint8_t head[4];
    if (!text) text = dx_hbtp_status_text(status);
    DX_HBTP_ASSERT(text);
    dx_hbtp_p_store32(head, status);
    return dx_hbtp_p_send(s, word, head, sizeof head, text, dx_hbtp_p_length(text));
}

/* Let the next frame use the whole buffer: for answers and for the end of the session. Returns the
   old limit, which the caller restores. */
static size_t dx_hbtp_p_lift_limit(dx_hbtp_session *s)
{
    const size_t limit = s->desc.out->limit_;
    DX_HBTP_ASSERT(limit <= s->desc.out->size_);
    s->desc.out->limit_ = s->desc.out->size_;
    return limit;
}

/* >>hub -----------------------------------------------------------------
   One array of entries that link to each other by index, so that nothing is allocated. An entry is
   a subscription of one session to one state, and is in up to three rings at once:

       state 7      head -> A7 -> B7 -> C7 -> (A7)     its subscribers: publish walks it
       session A    A7 -> A9 -> (A7)                   its subscriptions: closing walks it
       READY        B7 -> A9 -> (B7)                   behind and may have room, oldest first

   A hash table finds the head of each state. Its buckets are in the same array: entry i also holds
   the first head of bucket i. Subscribing and unsubscribing are O(1). A subscription is one of:

       CURRENT --(no room for a change)--> STUCK --(its buffer has more room)--> READY
          ^------------------------(the whole state was sent)----------------------/ */

/* The link to the head of a state: in its bucket, or in the head before it in the chain. The link
   is NONE if the state has no subscribers. */
static uint32_t *dx_hbtp_p_head_of(const dx_hbtp_hub *hub, uint32_t state)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    const uint64_t hash = dx_hbtp_p_keyed_hash(hub->seed_, state);
    uint32_t *link;
    DX_HBTP_ASSERT(hub->capacity_ > 0);
    link = &e[(uint32_t)(hash * hub->capacity_ >> 32)].bucket;
    while (*link != DX_HBTP_P_NONE && e[*link].state != state) link = &e[*link].chain;
    return link;
}

/* The subscription of a session to a state, or NONE. */
static uint32_t dx_hbtp_p_find_entry(const dx_hbtp_hub *hub, const dx_hbtp_session *s,
                                     uint32_t state)
{
    uint32_t left = s->subscribed_;
    uint32_t i = s->subscription_;
    DX_HBTP_ASSERT(!left || s->hub_ == hub);
    for (; left; left--) {
        if (hub->entries_[i].state == state) return i;
        i = hub->entries_[i].session_next;
    }
    return DX_HBTP_P_NONE;
}

static void dx_hbtp_p_unlink_ready(dx_hbtp_hub *hub, uint32_t i)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    DX_HBTP_ASSERT(hub->ready_ != DX_HBTP_P_NONE);
    e[e[i].ready].ready_previous = e[i].ready_previous;
    e[e[i].ready_previous].ready = e[i].ready;
    if (hub->ready_ == i) hub->ready_ = e[i].ready == i ? DX_HBTP_P_NONE : e[i].ready;
}

/* Append to the ring of READY entries. */
static void dx_hbtp_p_link_ready(dx_hbtp_hub *hub, uint32_t i)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    uint32_t last;
    e[i].ready = i;
    e[i].ready_previous = i;
    if (hub->ready_ == DX_HBTP_P_NONE) {
        hub->ready_ = i;
        return;
    }
    last = e[hub->ready_].ready_previous;
    e[i].ready = hub->ready_;
    e[i].ready_previous = last;
    e[hub->ready_].ready_previous = i;
    e[last].ready = i;
}

/* Change the state of a subscription and keep ring and counter consistent: an entry is in the READY
   ring iff it is READY, and session->stuck_ counts its STUCK entries. */
static void dx_hbtp_p_set_place(dx_hbtp_hub *hub, uint32_t i, dx_hbtp_p_place place)
{
    struct dx_hbtp_p_entry *const it = &hub->entries_[i];
    const uint32_t was = it->place;
    DX_HBTP_ASSERT(i < hub->capacity_);
    if (was == (uint32_t)place) return;
    DX_HBTP_ASSERT(was != DX_HBTP_P_STUCK || it->session->stuck_ > 0);
    if (was == DX_HBTP_P_STUCK) it->session->stuck_--;
    if (was == DX_HBTP_P_READY) dx_hbtp_p_unlink_ready(hub, i);
    it->place = (uint32_t)place;
    if (place == DX_HBTP_P_STUCK) it->session->stuck_++;
    if (place == DX_HBTP_P_READY) dx_hbtp_p_link_ready(hub, i);
}

/* Append to the ring of its state, or become the head of a new one. */
static void dx_hbtp_p_link_state(dx_hbtp_hub *hub, uint32_t i)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    uint32_t *const head = dx_hbtp_p_head_of(hub, e[i].state);
    uint32_t last;
    if (*head == DX_HBTP_P_NONE) {
        e[i].next = i;
        e[i].previous = i;
        e[i].chain = DX_HBTP_P_NONE;
        *head = i;
        return;
    }
    last = e[*head].previous;
    e[i].next = *head;
    e[i].previous = last;
    e[*head].previous = i;
    e[last].next = i;
}

static void dx_hbtp_p_link_session(dx_hbtp_hub *hub, dx_hbtp_session *s, uint32_t i)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    DX_HBTP_ASSERT(!s->subscribed_ || s->hub_ == hub);
    e[i].session_next = i;
    e[i].session_previous = i;
    if (s->subscribed_) {
        const uint32_t last = e[s->subscription_].session_previous;
        e[i].session_next = s->subscription_;
        e[i].session_previous = last;
        e[s->subscription_].session_previous = i;
        e[last].session_next = i;
    } else {
        s->subscription_ = i;
    }
    s->subscribed_++;
    s->hub_ = hub;
}

/* Add a subscription. It starts READY: its first frame is the whole state. */
static void dx_hbtp_p_add_entry(dx_hbtp_hub *hub, dx_hbtp_session *s, uint32_t state)
{
    const uint32_t i = hub->free_;
    struct dx_hbtp_p_entry *const it = &hub->entries_[i];
    DX_HBTP_ASSERT(i < hub->capacity_ && hub->count_ < hub->capacity_);
    hub->free_ = it->next;
    it->session = s;
    it->state = state;
    it->place = DX_HBTP_P_CURRENT;
    dx_hbtp_p_link_state(hub, i);
    dx_hbtp_p_link_session(hub, s, i);
    hub->count_++;
    dx_hbtp_p_set_place(hub, i, DX_HBTP_P_READY);
}

/* Remove a subscription from all rings and free its entry. */
static void dx_hbtp_p_remove_entry(dx_hbtp_hub *hub, uint32_t i)
{
    struct dx_hbtp_p_entry *const e = hub->entries_;
    dx_hbtp_session *const s = e[i].session;
    uint32_t *const head = dx_hbtp_p_head_of(hub, e[i].state);
    DX_HBTP_ASSERT(s->hub_ == hub && s->subscribed_ > 0 && hub->count_ > 0);
    DX_HBTP_ASSERT(*head != DX_HBTP_P_NONE);
    dx_hbtp_p_set_place(hub, i, DX_HBTP_P_CURRENT);
    if (*head == i && e[i].next == i) {
        *head = e[i].chain;
    } else if (*head == i) {
        e[e[i].next].chain = e[i].chain;
        *head = e[i].next;
    }
    e[e[i].next].previous = e[i].previous;
    e[e[i].previous].next = e[i].next;
    e[e[i].session_next].session_previous = e[i].session_previous;
    e[e[i].session_previous].session_next = e[i].session_next;
    if (s->subscription_ == i) s->subscription_ = e[i].session_next;
    s->subscribed_--;
    hub->count_--;
    e[i].next = hub->free_;
    hub->free_ = i;
}

DX_HBTP_API int dx_hbtp_subscribe(dx_hbtp_hub *hub, dx_hbtp_session *s, uint32_t state, bool on)
{
    uint32_t i;
    if (!hub || !s || s->state == DX_HBTP_CLOSED || (s->subscribed_ && s->hub_ != hub))
        return DX_HBTP_EINVAL;
    i = dx_hbtp_p_find_entry(hub, s, state);
    if (!on && i == DX_HBTP_P_NONE) return DX_HBTP_ENOTFOUND;
    if (!on) dx_hbtp_p_remove_entry(hub, i);
    if (!on || i != DX_HBTP_P_NONE) return DX_HBTP_OK;
    if (hub->free_ == DX_HBTP_P_NONE || s->subscribed_ >= hub->per_session_max_)
        return DX_HBTP_ETOOBIG;
    dx_hbtp_p_add_entry(hub, s, state);
    return DX_HBTP_OK;
}

/* Called when a session has closed or may have more room. Closed: remove its subscriptions. More
   room than at the last failed attempt: STUCK entries may retry. */
static void dx_hbtp_p_changed(dx_hbtp_session *s)
{
    uint32_t left;
    uint32_t i;
    while (s->state == DX_HBTP_CLOSED && s->subscribed_)
        dx_hbtp_p_remove_entry(s->hub_, s->subscription_);
    if (!s->stuck_ || dx_hbtp_p_own_room(s) <= s->stuck_room_) return;
    i = s->subscription_;
    for (left = s->subscribed_; left; left--) {
        if (s->hub_->entries_[i].place == DX_HBTP_P_STUCK)
            dx_hbtp_p_set_place(s->hub_, i, DX_HBTP_P_READY);
        i = s->hub_->entries_[i].session_next;
    }
    DX_HBTP_ASSERT(!s->stuck_);
}

DX_HBTP_API int dx_hbtp_hub_init(dx_hbtp_hub *hub, const dx_hbtp_hub_desc *desc)
{
    size_t capacity;
    uint32_t i;
    if (!hub || !desc || !desc->memory || ((uintptr_t)desc->memory & 7)) return DX_HBTP_EINVAL;
    capacity = desc->memory_size / sizeof(struct dx_hbtp_p_entry);
    DX_HBTP_MEMSET(hub, 0, sizeof *hub);
    hub->entries_ = (struct dx_hbtp_p_entry *)desc->memory;
    hub->capacity_ = (uint64_t)capacity >> 31 ? DX_HBTP_P_NONE : (uint32_t)capacity;
    hub->per_session_max_ = desc->per_session_max;
    if (!desc->per_session_max) hub->per_session_max_ = DX_HBTP_P_PER_SESSION;
    hub->changed_ = dx_hbtp_p_changed;
    hub->seed_ = desc->seed;
    hub->admit_ = desc->admit;
    hub->user_ = desc->user;
    hub->ready_ = DX_HBTP_P_NONE;
    for (i = 0; i < hub->capacity_; i++) {
        hub->entries_[i].next = i + 1 < hub->capacity_ ? i + 1 : DX_HBTP_P_NONE;
        hub->entries_[i].bucket = DX_HBTP_P_NONE;
    }
    hub->free_ = hub->capacity_ ? 0 : DX_HBTP_P_NONE;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_hub_handler(const dx_hbtp_context *c)
{
    dx_hbtp_hub *hub = (dx_hbtp_hub *)c->user;
    const bool on = c->frame->opcode != DX_HBTP_OP_STATE_UNSUBSCRIBE;
    uint32_t state;
    int result = DX_HBTP_OK;
    if (c->payload_size != 4) return c->payload_size < 4 ? DX_HBTP_ETRUNCATED : DX_HBTP_ECORRUPT;
    state = dx_hbtp_p_load32(c->payload);
    if (on && hub->admit_) result = hub->admit_(hub->user_, c->session, state);
    if (!result) result = dx_hbtp_subscribe(hub, c->session, state, on);
    if (result == DX_HBTP_ETOOBIG) return DX_HBTP_STATUS_TOO_MANY;
    if (result || !(c->frame->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) return result;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0); /* it fits */
}

/* Send a state to its subscribers; catch_up: only to READY ones. A subscriber without room becomes
   STUCK and does not hold up the others. Returns the number reached. */
static int64_t dx_hbtp_p_fan_out(dx_hbtp_hub *hub, uint32_t state, uint16_t opcode, bool catch_up,
                                 const void *payload, size_t size)
{
    const uint32_t word = dx_hbtp_p_word(opcode, 0, 0);
    uint8_t head[4];
    int64_t reached = 0;
    uint32_t first; /* entry where the walk began */
    uint32_t i;
    if (!hub || (!payload && size)) return DX_HBTP_EINVAL;
    if (!hub->count_) return 0;
    dx_hbtp_p_store32(head, state);
    first = *dx_hbtp_p_head_of(hub, state);
    if (first == DX_HBTP_P_NONE) return 0;
    i = first;
    do {
        struct dx_hbtp_p_entry *const e = &hub->entries_[i];
        dx_hbtp_session *const s = e->session;
        const bool may_apply = opcode == DX_HBTP_OP_STATE_SYNC || e->place == DX_HBTP_P_CURRENT;
        const bool is_meant = catch_up ? e->place == DX_HBTP_P_READY : may_apply;
        if (is_meant) {
            const size_t room = dx_hbtp_p_own_room(s);
            if (!dx_hbtp_p_send(s, word, head, sizeof head, payload, size)) {
                dx_hbtp_p_set_place(hub, i, DX_HBTP_P_CURRENT);
                reached++;
            } else {
                if (!s->stuck_ || room < s->stuck_room_) s->stuck_room_ = room;
                dx_hbtp_p_set_place(hub, i, DX_HBTP_P_STUCK);
            }
        }
        i = e->next;
    } while (i != first);
    return reached;
}

DX_HBTP_API int64_t dx_hbtp_publish(dx_hbtp_hub *hub, uint32_t state, uint16_t opcode,
                                    const void *payload, size_t size)
{
    if (opcode != DX_HBTP_OP_STATE_SYNC && opcode != DX_HBTP_OP_STATE_DELTA) return DX_HBTP_EINVAL;
    return dx_hbtp_p_fan_out(hub, state, opcode, false, payload, size);
}

DX_HBTP_API int64_t dx_hbtp_catch_up(dx_hbtp_hub *hub, uint32_t state, const void *payload,
                                     size_t size)
{
    return dx_hbtp_p_fan_out(hub, state, DX_HBTP_OP_STATE_SYNC, true, payload, size);
}

DX_HBTP_API bool dx_hbtp_hub_behind(const dx_hbtp_hub *hub, uint32_t *state)
{
    if (!hub || !state || hub->ready_ == DX_HBTP_P_NONE) return false;
    DX_HBTP_ASSERT(hub->entries_[hub->ready_].place == DX_HBTP_P_READY);
    *state = hub->entries_[hub->ready_].state;
    return true;
}

/* >>flow ---------------------------------------------------------------
   Credit and a cancellation that find no room are deferred: they stay in the stream, as numbers,
   until there is room (dx_hbtp_p_flush_streams). So a chunk, or the end of a stream, can be
   accepted however full the response buffer is.

       we may send      send_credit:    granted by the peer, minus bytes sent
       the peer may     receive_credit: granted to the peer, minus bytes received
                        grant:          granted by the program, not sent to the peer yet

       open -> SENT_END -> both -> removed     each side ends its own direction
          \--> CANCELED ---------> removed     canceled here; removed once the End was sent

   Few streams are open at a time, so they are an array without gaps, searched linearly. */

/* Includes CANCELED streams: their numbers are in use until the peer has been sent the End. */
static struct dx_hbtp_p_stream *dx_hbtp_p_find_any(const dx_hbtp_session *s, uint32_t id)
{
    uint32_t i;
    for (i = 0; s && i < s->stream_count_; i++)
        if (s->streams_[i].id == id) return &s->streams_[i];
    return NULL;
}

/* A stream that the program knows, or NULL. */
static struct dx_hbtp_p_stream *dx_hbtp_p_find_stream(const dx_hbtp_session *s, uint32_t id)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_any(s, id);
    return st && !(st->ends & DX_HBTP_P_CANCELED) ? st : NULL;
}

static struct dx_hbtp_p_stream *dx_hbtp_p_add_stream(dx_hbtp_session *s, uint32_t id, void *user)
{
    struct dx_hbtp_p_stream *stream = &s->streams_[s->stream_count_];
    DX_HBTP_ASSERT(s->stream_count_ < s->desc.streams_max && (id & 0xffff));
    s->stream_count_++;
    DX_HBTP_MEMSET(stream, 0, sizeof *stream);
    stream->id = id;
    stream->user = user;
    return stream;
}

static void dx_hbtp_p_remove_stream(dx_hbtp_session *s, struct dx_hbtp_p_stream *st)
{
    DX_HBTP_ASSERT(s->stream_count_ > 0 && st >= s->streams_);
    s->stream_count_--;
    *st = s->streams_[s->stream_count_]; /* the last one moves: find it again */
}

/* Report an event to the program. Streams may move or end inside: find them again. */
static void dx_hbtp_p_apply_result(dx_hbtp_session *s, uint32_t id, int result);
static void dx_hbtp_p_report(dx_hbtp_session *s, dx_hbtp_stream_event *event)
{
    dx_hbtp_out *const out = s->desc.out;
    const uint32_t request = out->request_;
    struct dx_hbtp_p_stream *stream = dx_hbtp_p_find_stream(s, event->stream);
    int result;
    DX_HBTP_ASSERT(s->desc.on_stream && event->kind);
    if (stream) {
        event->user = stream->user;
        event->credit = stream->send_credit;
    }
    out->request_ = DX_HBTP_P_NO_REQUEST; /* frames sent inside are no answer to a start */
    result = s->desc.on_stream(s, event);
    out->request_ = request;
    stream = dx_hbtp_p_find_stream(s, event->stream);
    if (!stream) return;
    stream->user = event->user;
    dx_hbtp_p_apply_result(s, event->stream, result);
}

/* The only place where a stream ends for the program, so ENDED is reported exactly once. A CANCELED
   stream stays in the array until its End was sent. */
static void dx_hbtp_p_end_stream(dx_hbtp_session *s, struct dx_hbtp_p_stream *stream, int error,
                                 uint16_t status, const void *text, size_t size)
{
    dx_hbtp_stream_event event;
    DX_HBTP_ASSERT(stream >= s->streams_ && stream < s->streams_ + s->stream_count_);
    DX_HBTP_MEMSET(&event, 0, sizeof event);
    event.kind = DX_HBTP_STREAM_ENDED;
    event.stream = stream->id;
    event.user = stream->user;
    event.error = error;
    event.status = status;
    event.data = (const uint8_t *)text;
    event.size = size;
    if (stream->id == s->tail_stream_) s->tail_stream_ = 0; /* drop the rest */
    if (!(stream->ends & DX_HBTP_P_CANCELED)) dx_hbtp_p_remove_stream(s, stream);
    dx_hbtp_p_report(s, &event);
}

/* Header of a stream's frame. The side that opened the stream sets EXPECTS_RESPONSE, which tells
   the two sides' numbers apart. An End with FINAL completes a direction, one without it cancels. */
static uint32_t dx_hbtp_p_stream_word(uint32_t id, uint16_t opcode, bool final)
{
    unsigned flags = final ? DX_HBTP_FLAG_FINAL : 0;
    if (id & DX_HBTP_P_OURS) flags |= DX_HBTP_FLAG_EXPECTS_RESPONSE;
    return dx_hbtp_p_word(opcode, flags, (uint16_t)(id & 0xffff));
}

/* Send a chunk, with the grant collected so far. */
static int dx_hbtp_p_write_chunk(dx_hbtp_session *s, size_t limit, struct dx_hbtp_p_stream *st,
                                 const void *data, size_t size)
{
    const uint32_t word = dx_hbtp_p_stream_word(st->id, DX_HBTP_OP_RPC_STREAM_CHUNK, false);
    uint8_t head[4];
    int error;
    dx_hbtp_p_store32(head, st->grant);
    error = dx_hbtp_p_send_within(s, limit, word, head, sizeof head, data, size);
    if (error) return error;
    DX_HBTP_ASSERT(size <= st->send_credit);
    st->send_credit -= (uint32_t)size;
    st->receive_credit += st->grant;
    st->grant = 0;
    if (st->receive_credit > st->window) st->window = st->receive_credit;
    DX_HBTP_ASSERT(st->receive_credit <= st->window);
    return DX_HBTP_OK;
}

/* Send credit only when it is worth a frame: half of the window, or at least what the peer has
   left. So always when the peer has none. */
static bool dx_hbtp_p_should_grant(const struct dx_hbtp_p_stream *st)
{
    return st->grant && !(st->ends & (DX_HBTP_P_GOT_END | DX_HBTP_P_CANCELED)) &&
           (st->grant >= st->window / 2 || st->grant >= st->receive_credit);
}

/* Write a stream's deferred frame. ENOSPACE: still deferred. *ended: it can be removed. */
static int dx_hbtp_p_write_deferred(dx_hbtp_session *s, struct dx_hbtp_p_stream *st, bool *ended)
{
    const size_t limit = dx_hbtp_p_deferred_limit(s);
    uint8_t head[4];
    *ended = false;
    if (st->ends & DX_HBTP_P_CANCELED) {
        const uint32_t word = dx_hbtp_p_stream_word(st->id, DX_HBTP_OP_RPC_STREAM_END, false);
        int error;
        DX_HBTP_ASSERT(st->status >= 400);
        dx_hbtp_p_store32(head, st->status);
        error = dx_hbtp_p_send_within(s, limit, word, head, sizeof head, NULL, 0);
        *ended = !error;
        return error;
    }
    return dx_hbtp_p_should_grant(st) ? dx_hbtp_p_write_chunk(s, limit, st, NULL, 0) : DX_HBTP_OK;
}

/* Write deferred frames, round robin, as far as there is room. */
static void dx_hbtp_p_flush_streams(dx_hbtp_session *s)
{
    uint32_t left = s->stream_count_;
    bool ended;
    if (!s->deferred_) return;
    while (left && s->stream_count_) {
        if (s->deferred_next_ >= s->stream_count_) s->deferred_next_ = 0;
        if (dx_hbtp_p_write_deferred(s, &s->streams_[s->deferred_next_], &ended)) return;
        if (ended) { /* the last one moves here: same index again */
            dx_hbtp_p_remove_stream(s, &s->streams_[s->deferred_next_]);
        } else {
            s->deferred_next_++;
            left--;
        }
    }
    dx_hbtp_p_set_deferred(s, false);
}

/* Send the grant now, or defer it. */
static void dx_hbtp_p_offer_credit(dx_hbtp_session *s, struct dx_hbtp_p_stream *st)
{
    if (dx_hbtp_p_should_grant(st) &&
        dx_hbtp_p_write_chunk(s, dx_hbtp_p_limit(s), st, NULL, 0))
        dx_hbtp_p_set_deferred(s, true);
}

/* Cancel both directions. Without room, the End is deferred and loses its text. */
static void dx_hbtp_p_cancel_stream(dx_hbtp_session *s, struct dx_hbtp_p_stream *st,
                                    uint16_t status, const char *text)
{
    const uint32_t word = dx_hbtp_p_stream_word(st->id, DX_HBTP_OP_RPC_STREAM_END, false);
    DX_HBTP_ASSERT(dx_hbtp_p_is_status(status) && !(st->ends & DX_HBTP_P_CANCELED));
    if (dx_hbtp_p_send_status(s, word, status, text)) {
        st->ends |= DX_HBTP_P_CANCELED;
        st->status = status;
        dx_hbtp_p_set_deferred(s, true);
    }
    dx_hbtp_p_end_stream(s, st, DX_HBTP_ECANCELED, status, NULL, 0);
}

/* Cancel a stream if the program's callback returned an error. */
static void dx_hbtp_p_apply_result(dx_hbtp_session *s, uint32_t id, int result)
{
    struct dx_hbtp_p_stream *st = result ? dx_hbtp_p_find_stream(s, id) : NULL;
    if (!st) return;
    s->counters.events[DX_HBTP_EVENT_FAILED]++;
    dx_hbtp_p_cancel_stream(s, st, dx_hbtp_p_status(result), NULL);
}

/* May a chunk be delivered in pieces? Not if the whole must be decrypted,
   unpacked or verified first. */
static bool dx_hbtp_p_can_split(const dx_hbtp_session *s)
{
    const bool whole = !DX_HBTP_P_SMALL && /* SMALL has none of these */
                       (s->desc.cipher || s->desc.codec || s->desc.require_checksum);
    return s->desc.streams_max && s->desc.payload_max > 4 && !whole;
}

DX_HBTP_API uint32_t dx_hbtp_credit_max(const dx_hbtp_session *s)
{
    if (!s) return 0;
    if (s->desc.payload_max >= DX_HBTP_STREAM_CHUNK_MAX + 4 || dx_hbtp_p_can_split(s) ||
        (s->peer.features & DX_HBTP_FEATURE_SPLIT))
        return INT32_MAX;
    return s->desc.payload_max > 4 ? s->desc.payload_max - 4 : 0;
}

DX_HBTP_API int64_t dx_hbtp_send(dx_hbtp_session *s, uint32_t stream, const void *data, size_t size)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_stream(s, stream);
    size_t room;
    size_t over; /* bytes of a chunk besides its data */
    int error;
    if (!st) return DX_HBTP_ENOTFOUND;
    if ((st->ends & DX_HBTP_P_SENT_END) || (!data && size)) return DX_HBTP_EINVAL;
    room = dx_hbtp_p_own_room(s);
    over = DX_HBTP_P_CHUNK_ROOM + dx_hbtp_p_tag(s->desc.out);
    room = room > over ? room - over : 0;
    if (size > room) size = room;
    if (size > DX_HBTP_STREAM_CHUNK_MAX) size = DX_HBTP_STREAM_CHUNK_MAX;
    over = 4 + dx_hbtp_p_tag(s->desc.out);
    if (s->peer.payload_max && size > s->peer.payload_max - over) size = s->peer.payload_max - over;
    if (size > st->send_credit) size = st->send_credit;
    error = size ? dx_hbtp_p_write_chunk(s, dx_hbtp_p_limit(s), st, data, size) : DX_HBTP_OK;
    return error ? error : (int64_t)size;
}

DX_HBTP_API int dx_hbtp_grant(dx_hbtp_session *s, uint32_t stream, uint32_t bytes)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_stream(s, stream);
    if (!st) return DX_HBTP_ENOTFOUND;
    if ((uint64_t)st->receive_credit + st->grant + bytes > dx_hbtp_credit_max(s))
        return DX_HBTP_ETOOBIG;
    st->grant += bytes;
    dx_hbtp_p_offer_credit(s, st);
    return DX_HBTP_OK;
}

/* One direction has ended. */
static void dx_hbtp_p_half_end(dx_hbtp_session *s, uint32_t stream, uint16_t end)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_stream(s, stream);
    DX_HBTP_ASSERT(end == DX_HBTP_P_SENT_END || end == DX_HBTP_P_GOT_END);
    if (!st) return;
    st->ends |= end;
    if (st->ends == (DX_HBTP_P_SENT_END | DX_HBTP_P_GOT_END))
        dx_hbtp_p_end_stream(s, st, st->status ? DX_HBTP_EREMOTE : DX_HBTP_OK, st->status, NULL, 0);
}

DX_HBTP_API int dx_hbtp_finish(dx_hbtp_session *s, uint32_t stream, uint16_t status,
                               const char *text)
{
    const uint32_t word = dx_hbtp_p_stream_word(stream, DX_HBTP_OP_RPC_STREAM_END, true);
    const struct dx_hbtp_p_stream *st = dx_hbtp_p_find_stream(s, stream);
    int error;
    if (!st) return DX_HBTP_ENOTFOUND;
    if ((st->ends & DX_HBTP_P_SENT_END) || (status && !dx_hbtp_p_is_status(status)))
        return DX_HBTP_EINVAL;
    error = status ? dx_hbtp_p_send_status(s, word, status, text)
                   : dx_hbtp_p_send(s, word, NULL, 0, NULL, 0);
    if (!error) dx_hbtp_p_half_end(s, stream, DX_HBTP_P_SENT_END);
    return error;
}

DX_HBTP_API int dx_hbtp_reset(dx_hbtp_session *s, uint32_t stream, uint16_t status,
                              const char *text)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_stream(s, stream);
    if (!st) return DX_HBTP_ENOTFOUND;
    if (!dx_hbtp_p_is_status(status)) return DX_HBTP_EINVAL;
    dx_hbtp_p_cancel_stream(s, st, status, text);
    return DX_HBTP_OK;
}

/* >>requests ------------------------------------------------------------
   Own requests are a table indexed by the low bits of the sequence, so that an answer finds its
   request with one load:

       sequence 4711 = ... 0110 0111       slots_[4711 & (slot_count_ - 1)]

   A slot stays readable until it is reused. That distinguishes late, duplicate and unasked answers
   from expected ones:

       FREE -> WAITING -> ANSWERED (another answer: DUPLICATE)
                     \--> GIVEN_UP -> (an answer: LATE) -> ANSWERED

   The peer still works on a request that was given up (expired or canceled) until it answers, so
   that counts against the peer's limit. */

/* Count an event and report it. */
static void dx_hbtp_p_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    DX_HBTP_ASSERT(event >= DX_HBTP_EVENT_UNKNOWN_OPCODE && event <= DX_HBTP_EVENT_DRAIN);
    s->counters.events[event]++;
    if (s->desc.on_event) s->desc.on_event(s, event, frame);
}

static struct dx_hbtp_p_slot *dx_hbtp_p_slot_at(const dx_hbtp_session *s, uint16_t sequence)
{
    DX_HBTP_ASSERT(s->slot_count_ && (s->slot_count_ & (s->slot_count_ - 1)) == 0);
    return &s->slots_[sequence & (s->slot_count_ - 1)];
}

/* The next free sequence; 0: none. A number is free if its slot is not WAITING and no stream of
   ours uses it. Slots that were GIVEN_UP are reused last: as long as one is remembered, its late
   answer cannot be mistaken for the answer to a newer request with the same number. */
static uint16_t dx_hbtp_p_next_sequence(const dx_hbtp_session *s)
{
    uint16_t number = s->sequence_;
    uint32_t tries = UINT16_MAX;
    const uint32_t most = DX_HBTP_P_SPARE;
    const uint32_t spare = s->slot_count_ < most ? s->slot_count_ : most;
    for (; tries; tries--) {
        const struct dx_hbtp_p_slot *slot;
        number = (uint16_t)(number + 1);
        if (!number) number = 1; /* 0: no request */
        slot = dx_hbtp_p_slot_at(s, number);
        if (slot->state == DX_HBTP_P_WAITING ||
            dx_hbtp_p_find_any(s, number | (uint32_t)DX_HBTP_P_OURS))
            continue;
        if (slot->state != DX_HBTP_P_GIVEN_UP ||
            (tries <= UINT16_MAX - spare && slot->sequence != number))
            return number;
    }
    return 0;
}

/* End an open request. The only place that calls on_result, so each request is reported once. */
static void dx_hbtp_p_end(dx_hbtp_session *s, struct dx_hbtp_p_slot *slot, uint8_t state,
                          dx_hbtp_result *result)
{
    DX_HBTP_ASSERT(slot->state == DX_HBTP_P_WAITING && s->waiting > 0);
    slot->state = state;
    s->waiting--;
    s->given_up += state == DX_HBTP_P_GIVEN_UP;
    result->sequence = slot->sequence;
    result->user = slot->user;
    if (s->v2_ && s->v2_->on_result(s, result)) return;
    if (s->desc.on_result) s->desc.on_result(s, result);
}

static void dx_hbtp_p_give_up(dx_hbtp_session *s, struct dx_hbtp_p_slot *slot, int error)
{
    dx_hbtp_result result;
    DX_HBTP_ASSERT(error == DX_HBTP_ECANCELED || error == DX_HBTP_ETIMEDOUT);
    DX_HBTP_MEMSET(&result, 0, sizeof result);
    result.error = error;
    dx_hbtp_p_end(s, slot, DX_HBTP_P_GIVEN_UP, &result);
}

/* Close the session: every open request and stream ends with ECANCELED, then CLOSED is reported. */
static void dx_hbtp_p_close_session(dx_hbtp_session *s, int error, const dx_hbtp_frame *frame)
{
    uint32_t i;
    if (s->state == DX_HBTP_CLOSED) return;
    s->state = DX_HBTP_CLOSED;
    s->error = error;
    s->budget_ = 0;
    if (s->subscribed_) s->hub_->changed_(s);
    for (i = 0; i < s->slot_count_; i++)
        if (s->slots_[i].state == DX_HBTP_P_WAITING)
            dx_hbtp_p_give_up(s, &s->slots_[i], DX_HBTP_ECANCELED);
    while (s->stream_count_) {
        struct dx_hbtp_p_stream *st = s->streams_;
        if (st->ends & DX_HBTP_P_CANCELED) dx_hbtp_p_remove_stream(s, st);
        else dx_hbtp_p_end_stream(s, st, DX_HBTP_ECANCELED, DX_HBTP_STATUS_NONE, NULL, 0);
    }
    DX_HBTP_ASSERT(!s->waiting && !s->stream_count_ && !s->subscribed_);
    dx_hbtp_p_event(s, DX_HBTP_EVENT_CLOSED, frame);
}

/* Deliver an answer. One that cannot be read still ends its request. */
static void dx_hbtp_p_end_answered(dx_hbtp_session *s, struct dx_hbtp_p_slot *slot,
                                   const dx_hbtp_frame *frame)
{
    dx_hbtp_result result;
    const char *text;
    DX_HBTP_ASSERT(slot->sequence == frame->sequence);
    DX_HBTP_MEMSET(&result, 0, sizeof result);
    result.frame = frame;
    if (dx_hbtp_p_is_opaque(frame->flags)) { /* no codec, or it failed */
        result.error = DX_HBTP_ENOTSUP;
    } else if (frame->opcode == DX_HBTP_OP_RPC_ERROR) {
        result.error =
            dx_hbtp_parse_rpc_error(frame, &result.status, &text, &result.payload_size);
        if (!result.error) {
            result.error = DX_HBTP_EREMOTE;
            result.payload = frame->payload + 4;
        }
    } else {
        result.payload = frame->payload;
        result.payload_size = frame->payload_size;
    }
    dx_hbtp_p_end(s, slot, DX_HBTP_P_ANSWERED, &result);
}

/* An RpcError may also refuse a stream that we opened, from a peer without streams. */
static bool dx_hbtp_p_stream_refused(dx_hbtp_session *s, const dx_hbtp_frame *f)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_any(s, f->sequence | (uint32_t)DX_HBTP_P_OURS);
    uint16_t status;
    const char *text;
    size_t size;
    int error;
    if (!st || f->opcode != DX_HBTP_OP_RPC_ERROR) return false;
    if (st->ends & DX_HBTP_P_CANCELED) { /* canceled here already: reported */
        dx_hbtp_p_remove_stream(s, st);
        return true;
    }
    error = dx_hbtp_parse_rpc_error(f, &status, &text, &size);
    dx_hbtp_p_end_stream(s, st, error ? error : DX_HBTP_EREMOTE, status, text, size);
    return true;
}

DX_HBTP_API int dx_hbtp_open(dx_hbtp_session *s, uint8_t method, const void *arguments,
                             size_t size, uint32_t credit, void *user, uint32_t *stream)
{
    uint8_t head[8] = {0};
    struct dx_hbtp_p_stream *st;
    uint32_t id;
    int error;
    if (!s || !stream) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED || s->peer.drains) return DX_HBTP_ECANCELED;
    if (s->stream_count_ >= s->desc.streams_max ||
        (s->peer.streams_max && s->stream_count_ >= s->peer.streams_max))
        return DX_HBTP_EAGAIN;
    if (credit > dx_hbtp_credit_max(s)) return DX_HBTP_ETOOBIG;
    id = dx_hbtp_p_next_sequence(s);
    if (!id) return DX_HBTP_EAGAIN;
    id |= DX_HBTP_P_OURS;
    DX_HBTP_ASSERT(!dx_hbtp_p_find_any(s, id));
    head[0] = method;
    dx_hbtp_p_store32(head + 4, credit);
    error = dx_hbtp_p_send(s, dx_hbtp_p_stream_word(id, DX_HBTP_OP_RPC_STREAM_START, false), head,
                           sizeof head, arguments, size);
    if (error) return error;
    s->sequence_ = (uint16_t)(id & 0xffff);
    st = dx_hbtp_p_add_stream(s, id, user);
    st->receive_credit = credit;
    st->window = credit;
    st->send_credit = s->peer.credit;
    *stream = id;
    return DX_HBTP_OK;
}

/* Pong, RpcResponse, RpcError: the answer to an own request, to a stream start, or unasked. */
static int dx_hbtp_p_on_answer(const dx_hbtp_context *c)
{
    dx_hbtp_session *s = c->session;
    const dx_hbtp_frame *f = c->frame;
    struct dx_hbtp_p_slot *slot = dx_hbtp_p_slot_at(s, f->sequence);
    dx_hbtp_event event = DX_HBTP_EVENT_LATE;
    if (!f->sequence && f->opcode == DX_HBTP_OP_PONG) return DX_HBTP_OK; /* keepalive */
    if (dx_hbtp_p_stream_refused(s, f)) return DX_HBTP_OK;
    if (slot->sequence != f->sequence || slot->state == DX_HBTP_P_FREE ||
        (f->opcode != DX_HBTP_OP_RPC_ERROR && slot->ping != (f->opcode == DX_HBTP_OP_PONG))) {
        event = DX_HBTP_EVENT_UNASKED; /* the slot may have been reused */
    } else if (slot->state == DX_HBTP_P_WAITING) {
        dx_hbtp_p_end_answered(s, slot, f);
        return DX_HBTP_OK;
    } else if (slot->state == DX_HBTP_P_ANSWERED) {
        event = DX_HBTP_EVENT_DUPLICATE;
    } else {
        slot->state = DX_HBTP_P_ANSWERED;
    }
    s->given_up -= s->given_up > 0; /* a duplicate counts too: its sender broke the rules */
    dx_hbtp_p_event(s, event, f);
    return DX_HBTP_OK;
}

static int dx_hbtp_p_request(dx_hbtp_session *s, uint32_t word, const uint8_t *head,
                             size_t head_size, const void *payload, size_t size,
                             uint64_t deadline_ns, void *user, uint16_t *sequence)
{
    struct dx_hbtp_p_slot *slot;
    uint8_t extra[DX_HBTP_FILE_CHUNK_PREFIX]; /* fields, then the head */
    uint16_t number;
    int error;
    if (!s) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_ECANCELED;
    if (s->peer.drains && (word & 0xff) != DX_HBTP_OP_DRAIN) return DX_HBTP_ECANCELED;
    if (s->waiting >= s->desc.outstanding_max ||
        (s->peer.requests_max && s->waiting + s->given_up >= s->peer.requests_max))
        return DX_HBTP_EAGAIN;
    number = dx_hbtp_p_next_sequence(s);
    if (!number) return DX_HBTP_EAGAIN;
    if ((s->peer.features & DX_HBTP_FEATURE_DEADLINE) && deadline_ns != UINT64_MAX) {
        head_size = s->v2_->put_head(s, extra, head, head_size, deadline_ns);
        DX_HBTP_ASSERT(head_size <= sizeof extra);
        head = extra;
        word |= (uint32_t)DX_HBTP_FLAG_EXTRA << 8;
    }
    error = dx_hbtp_p_send(s, word | (uint32_t)number << 16, head, head_size, payload, size);
    if (error) return error;
    slot = dx_hbtp_p_slot_at(s, number);
    DX_HBTP_ASSERT(slot->state != DX_HBTP_P_WAITING);
    s->sequence_ = number;
    slot->sequence = number;
    slot->state = DX_HBTP_P_WAITING;
    slot->deadline_ns = deadline_ns;
    slot->user = user;
    slot->ping = (word & 0xff) == DX_HBTP_OP_PING;
    s->waiting++;
    DX_HBTP_ASSERT(s->waiting <= s->desc.outstanding_max);
    if (deadline_ns < s->next_deadline_ns_) s->next_deadline_ns_ = deadline_ns;
    if (sequence) *sequence = number;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_call(dx_hbtp_session *s, uint8_t method, const void *arguments,
                             size_t size, uint64_t deadline_ns, void *user, uint16_t *sequence)
{
    const uint32_t word = dx_hbtp_p_word(DX_HBTP_OP_RPC_CALL, DX_HBTP_FLAG_EXPECTS_RESPONSE, 0);
    return dx_hbtp_p_request(s, word, &method, 1, arguments, size, deadline_ns, user, sequence);
}

DX_HBTP_API int dx_hbtp_request(dx_hbtp_session *s, uint16_t opcode, uint8_t flags,
                                const void *payload, size_t size, uint64_t deadline_ns,
                                void *user, uint16_t *sequence)
{
    const uint32_t word = dx_hbtp_p_word(opcode, flags | DX_HBTP_FLAG_EXPECTS_RESPONSE, 0);
    uint8_t real[2];
    dx_hbtp_p_store16(real, opcode);
    return dx_hbtp_p_request(s, word, real, opcode < DX_HBTP_OP_EXTENDED_FIRST ? 0 : 2, payload,
                             size, deadline_ns, user, sequence);
}

DX_HBTP_API int dx_hbtp_notify(dx_hbtp_session *s, uint16_t opcode, uint8_t flags,
                               const void *payload, size_t size)
{
    const uint32_t word = dx_hbtp_p_word(opcode, flags, 0);
    const bool is_own = opcode < DX_HBTP_OP_STATE_SYNC || /* Ping to Drain */
                        (opcode >= DX_HBTP_OP_RPC_CALL && opcode <= DX_HBTP_OP_RPC_CANCEL);
    uint8_t real[2];
    if (!s || is_own || (flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_ECANCELED;
    dx_hbtp_p_store16(real, opcode);
    return dx_hbtp_p_send(s, word, real, opcode < DX_HBTP_OP_EXTENDED_FIRST ? 0 : 2, payload, size);
}

DX_HBTP_API int dx_hbtp_cancel(dx_hbtp_session *s, uint16_t sequence)
{
    struct dx_hbtp_p_slot *slot = s ? dx_hbtp_p_slot_at(s, sequence) : NULL;
    if (!slot || slot->state != DX_HBTP_P_WAITING || slot->sequence != sequence)
        return DX_HBTP_ENOTFOUND;
    if (s->peer.features & DX_HBTP_FEATURE_CANCEL) { /* best effort: nothing is lost without room */
        const uint32_t word = dx_hbtp_p_word(DX_HBTP_OP_RPC_CANCEL, 0, sequence);
        (void)dx_hbtp_p_send(s, word, NULL, 0, NULL, 0);
    }
    dx_hbtp_p_give_up(s, slot, DX_HBTP_ECANCELED);
    return DX_HBTP_OK;
}

static int dx_hbtp_p_may_reply(const dx_hbtp_session *s)
{
    if (!s) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_ECANCELED;
    return s->pending_ ? DX_HBTP_OK : DX_HBTP_ENOTFOUND;
}

/* Restore the limit; if the answer was written, commit it. */
static int dx_hbtp_p_replied(dx_hbtp_session *s, size_t limit, int error)
{
    s->desc.out->limit_ = limit;
    if (error) return error;
    DX_HBTP_ASSERT(s->pending_ > 0);
    s->pending_--;
    dx_hbtp_p_wrote(s);
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_reply(dx_hbtp_session *s, uint16_t sequence, const void *result,
                              size_t size)
{
    const int error = dx_hbtp_p_may_reply(s);
    size_t limit;
    if (error) return error;
    limit = dx_hbtp_p_lift_limit(s);
    return dx_hbtp_p_replied(
        s, limit, dx_hbtp_write_rpc_response(s->desc.out, sequence, result, size));
}

DX_HBTP_API int dx_hbtp_reply_error(dx_hbtp_session *s, uint16_t sequence, uint16_t status,
                                    const char *text)
{
    const int error = dx_hbtp_p_may_reply(s);
    size_t limit;
    if (error) return error;
    limit = dx_hbtp_p_lift_limit(s);
    return dx_hbtp_p_replied(s, limit,
                             dx_hbtp_write_rpc_error(s->desc.out, sequence, status, text));
}

/* >>routes --------------------------------------------------------------
   A route is a function and its user pointer, found by the opcode; for an RpcCall, by its method:

       opcodes_[256]    00 Ping, 02 Close ...: the session's own;  30 RpcCall -> methods_[256]
                        10 StateSync ...: the program's, or "404"; ff all extended opcodes

   Everything a session does with a frame is such a handler, so lookup costs the same for all, and
   a program can replace most of them. A protocol error on a stream counts against the peer (rate
   limit); an error returned by the program does not. */

/* Refuse a frame and report it. A request gets an RpcError, which always fits (ANSWER_ROOM). Other
   frames get no answer, or two peers could answer each other forever. A stream that lost a frame
   has a hole and is canceled. */
static void dx_hbtp_p_penalize(dx_hbtp_session *s, uint32_t id, int result);
static void dx_hbtp_p_refuse(dx_hbtp_session *s, const dx_hbtp_frame *frame, uint16_t status,
                             dx_hbtp_event event)
{
    DX_HBTP_ASSERT(dx_hbtp_p_is_status(status));
    if (dx_hbtp_p_is_request(frame->opcode, frame->flags)) {
        const size_t limit = dx_hbtp_p_lift_limit(s);
        (void)dx_hbtp_write_rpc_error(s->desc.out, frame->sequence, status, NULL);
        s->desc.out->limit_ = limit;
    } else if (s->desc.streams_max && (frame->opcode == DX_HBTP_OP_RPC_STREAM_CHUNK ||
                                       frame->opcode == DX_HBTP_OP_RPC_STREAM_END)) {
        const bool theirs = (frame->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE) != 0;
        dx_hbtp_p_penalize(s, frame->sequence | (theirs ? 0u : (uint32_t)DX_HBTP_P_OURS), status);
    }
    dx_hbtp_p_event(s, event, frame);
}

static int dx_hbtp_p_refuse_route(const dx_hbtp_context *c)
{
    dx_hbtp_p_refuse(c->session, c->frame, DX_HBTP_STATUS_NOT_FOUND, DX_HBTP_EVENT_NO_ROUTE);
    return DX_HBTP_OK;
}

/* Default handler. Version 2 gives three of these opcodes a meaning. */
static int dx_hbtp_p_on_no_route(const dx_hbtp_context *c)
{
    const struct dx_hbtp_p_v2_hooks *v2 = c->session->v2_;
    return v2 ? v2->on_frame(c) : dx_hbtp_p_refuse_route(c);
}

static int dx_hbtp_p_on_unknown(const dx_hbtp_context *c)
{
    dx_hbtp_p_refuse(c->session, c->frame, DX_HBTP_STATUS_NOT_FOUND, DX_HBTP_EVENT_UNKNOWN_OPCODE);
    return DX_HBTP_OK;
}

static int dx_hbtp_p_on_ping(const dx_hbtp_context *c)
{
    const size_t room = c->out->size_ - DX_HBTP_HEADER_SIZE - DX_HBTP_CHECKSUM_SIZE;
    if (c->payload_size > room - dx_hbtp_p_tag(c->out)) return DX_HBTP_ETOOBIG;
    return dx_hbtp_write_pong(c->out, c->frame->sequence, c->payload, c->payload_size);
}

/* The Close that answers may use all room: nothing is written after it. */
static int dx_hbtp_p_on_close(const dx_hbtp_context *c)
{
    const size_t limit = dx_hbtp_p_lift_limit(c->session);
    (void)dx_hbtp_write_close(c->out, DX_HBTP_STATUS_NONE, NULL);
    c->out->limit_ = limit;
    dx_hbtp_p_close_session(c->session, DX_HBTP_OK, c->frame);
    return DX_HBTP_OK;
}

static int dx_hbtp_p_on_call(const dx_hbtp_context *c)
{
    const dx_hbtp_router *router = c->session->desc.router;
    dx_hbtp_context call;
    if (!c->payload_size) return DX_HBTP_ETRUNCATED;
    if (!router) return dx_hbtp_p_on_no_route(c);
    call = *c;
    call.payload++;
    call.payload_size--;
    call.user = router->methods_[c->payload[0]].user;
    return router->methods_[c->payload[0]].fn(&call);
}

/* Fatal error, later input cannot be trusted: answer, write a Close, end the session. */
static int dx_hbtp_p_fail(dx_hbtp_session *s, int error, const dx_hbtp_frame *frame)
{
    const uint16_t status = dx_hbtp_status_of_error(error);
    const size_t limit = dx_hbtp_p_lift_limit(s);
    DX_HBTP_ASSERT(error < 0);
    if (frame && dx_hbtp_p_is_request(frame->opcode, frame->flags))
        (void)dx_hbtp_write_rpc_error(s->desc.out, frame->sequence, status, NULL);
    (void)dx_hbtp_write_close(s->desc.out, status, NULL);
    s->desc.out->limit_ = limit;
    dx_hbtp_p_close_session(s, error, NULL);
    return error;
}

/* Token bucket against cancellation floods: the peer canceled one of its streams, or broke a rule
   of one. Each moves flood_ns_ ahead by CANCEL_NS; a peer that gets too far ahead of the clock is
   closed. */
static void dx_hbtp_p_count_flood(dx_hbtp_session *s)
{
    const uint64_t ahead_max = (uint64_t)DX_HBTP_P_CANCELS_MAX * DX_HBTP_P_CANCEL_NS;
    if (s->flood_ns_ < s->now_ns_) s->flood_ns_ = s->now_ns_;
    s->flood_ns_ += DX_HBTP_P_CANCEL_NS;
    if (s->flood_ns_ - s->now_ns_ > ahead_max) (void)dx_hbtp_p_fail(s, DX_HBTP_EFLOOD, NULL);
}

/* Cancel a stream because of a protocol error of the peer, and count it. result 0: no error. */
static void dx_hbtp_p_penalize(dx_hbtp_session *s, uint32_t id, int result)
{
    if (!result || !dx_hbtp_p_find_stream(s, id)) return;
    dx_hbtp_p_apply_result(s, id, result);
    if (s->state != DX_HBTP_CLOSED) dx_hbtp_p_count_flood(s);
}

static int dx_hbtp_p_on_start(const dx_hbtp_context *c, dx_hbtp_stream_event *event)
{
    dx_hbtp_session *s = c->session;
    const uint8_t *p = c->payload;
    struct dx_hbtp_p_stream *st;
    if ((event->stream & DX_HBTP_P_OURS) || !event->stream) return DX_HBTP_EINVAL;
    if (c->payload_size < 8) return DX_HBTP_ETRUNCATED;
    if (p[1] || p[2] || p[3]) return DX_HBTP_ECORRUPT;
    if (c->frame->flags & DX_HBTP_FLAG_FINAL) return DX_HBTP_EINVAL; /* only an end has it */
    if (dx_hbtp_p_find_any(s, event->stream)) { /* later frames would be ambiguous */
        dx_hbtp_p_penalize(s, event->stream, DX_HBTP_EINVAL);
        return DX_HBTP_OK;
    }
    if (s->stream_count_ >= s->desc.streams_max) return DX_HBTP_STATUS_TOO_MANY;
    st = dx_hbtp_p_add_stream(s, event->stream, NULL);
    st->send_credit = dx_hbtp_p_load32(p + 4);
    st->receive_credit = s->credit_;
    st->window = s->credit_;
    event->kind = DX_HBTP_STREAM_OPENED;
    event->method = p[0];
    event->data = p + 8;
    event->size = c->payload_size - 8;
    dx_hbtp_p_report(s, event);
    return DX_HBTP_OK;
}

/* A chunk: credit, data, or both; of a long chunk the first piece, which is checked for the
   whole. Returns an error or 0. */
static int dx_hbtp_p_on_chunk(const dx_hbtp_context *c, struct dx_hbtp_p_stream *st,
                              dx_hbtp_stream_event *event)
{
    uint32_t credit;
    size_t whole; /* bytes of data with the pieces still to come */
    DX_HBTP_ASSERT(!(st->ends & DX_HBTP_P_CANCELED) && st->receive_credit <= st->window);
    if (c->payload_size < 4) return DX_HBTP_ETRUNCATED;
    if (c->frame->flags & DX_HBTP_FLAG_FINAL) return DX_HBTP_EINVAL; /* only an end has it */
    credit = dx_hbtp_p_load32(c->payload);
    event->size = c->payload_size - 4;
    if ((!credit && !event->size) || credit > UINT32_MAX - st->send_credit) return DX_HBTP_EINVAL;
    if (event->size && (st->ends & DX_HBTP_P_GOT_END)) return DX_HBTP_EINVAL;
    whole = event->size + c->session->behind_;
    if (whole > st->receive_credit || whole > DX_HBTP_STREAM_CHUNK_MAX) return DX_HBTP_ETOOBIG;
    st->receive_credit -= (uint32_t)whole;
    st->send_credit += credit;
    event->kind = DX_HBTP_STREAM_CHUNK;
    event->data = c->payload + 4;
    dx_hbtp_p_report(c->session, event);
    return DX_HBTP_OK;
}

/* An End with FINAL ends the peer's direction, perhaps with a status; one without it cancels
   both. Returns an error or 0. */
static int dx_hbtp_p_on_end(const dx_hbtp_context *c, struct dx_hbtp_p_stream *st,
                            dx_hbtp_stream_event *event)
{
    dx_hbtp_session *s = c->session;
    const bool final = (c->frame->flags & DX_HBTP_FLAG_FINAL) != 0;
    DX_HBTP_ASSERT(!(st->ends & DX_HBTP_P_CANCELED));
    if (c->payload_size || !final) {
        if (c->payload_size < 4) return DX_HBTP_ETRUNCATED;
        if (dx_hbtp_p_load16(c->payload + 2)) return DX_HBTP_ECORRUPT;
        event->status = dx_hbtp_p_load16(c->payload);
        if (!dx_hbtp_p_is_status(event->status)) return DX_HBTP_EINVAL;
        event->data = c->payload + 4;
        event->size = c->payload_size - 4;
    }
    if (!final) {
        dx_hbtp_p_end_stream(s, st, DX_HBTP_EREMOTE, event->status, event->data, event->size);
        /* Not for streams that we opened: there we set the rate. */
        if (s->state != DX_HBTP_CLOSED && !(event->stream & DX_HBTP_P_OURS))
            dx_hbtp_p_count_flood(s);
        return DX_HBTP_OK;
    }
    if (st->ends & DX_HBTP_P_GOT_END) return DX_HBTP_EINVAL;
    event->kind = DX_HBTP_STREAM_FINISHED;
    st->ends |= DX_HBTP_P_GOT_END;
    st->status = event->status;
    dx_hbtp_p_report(s, event);
    dx_hbtp_p_half_end(s, event->stream, DX_HBTP_P_GOT_END);
    return DX_HBTP_OK;
}

/* A frame of a stream that has ended here and crossed our End on the wire. If it ends the peer's
   side too, there is nothing left to send, and the number is free again. */
static void dx_hbtp_p_on_stale(const dx_hbtp_context *c, uint32_t id)
{
    struct dx_hbtp_p_stream *st = dx_hbtp_p_find_any(c->session, id);
    DX_HBTP_ASSERT(!st || (st->ends & DX_HBTP_P_CANCELED));
    if (st && c->frame->opcode == DX_HBTP_OP_RPC_STREAM_END) {
        const uint16_t both = DX_HBTP_P_SENT_END | DX_HBTP_P_GOT_END;
        st->ends |= DX_HBTP_P_GOT_END;
        if (!(c->frame->flags & DX_HBTP_FLAG_FINAL) || (st->ends & both) == both)
            dx_hbtp_p_remove_stream(c->session, st);
    }
    dx_hbtp_p_event(c->session, DX_HBTP_EVENT_UNASKED, c->frame);
}

/* A frame of a stream. EXPECTS_RESPONSE tells whose number it is, see dx_hbtp_p_stream_word(). */
static int dx_hbtp_p_on_stream(const dx_hbtp_context *c)
{
    dx_hbtp_session *s = c->session;
    const dx_hbtp_frame *f = c->frame;
    struct dx_hbtp_p_stream *st;
    dx_hbtp_stream_event event;
    if (!s->desc.streams_max) return dx_hbtp_p_on_no_route(c);
    DX_HBTP_MEMSET(&event, 0, sizeof event);
    event.stream = f->sequence;
    if (!(f->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) event.stream |= DX_HBTP_P_OURS;
    if (f->opcode == DX_HBTP_OP_RPC_STREAM_START) return dx_hbtp_p_on_start(c, &event);
    st = dx_hbtp_p_find_stream(s, event.stream);
    if (!st) {
        dx_hbtp_p_on_stale(c, event.stream);
        return DX_HBTP_OK;
    }
    dx_hbtp_p_penalize(s, event.stream, f->opcode == DX_HBTP_OP_RPC_STREAM_END
                                            ? dx_hbtp_p_on_end(c, st, &event)
                                            : dx_hbtp_p_on_chunk(c, st, &event));
    st = dx_hbtp_p_find_stream(s, event.stream);
    if (st) dx_hbtp_p_offer_credit(s, st); /* the peer may have used all its credit */
    return DX_HBTP_OK;
}

/* The handler of a slot that the program has not set. */
static dx_hbtp_handler_fn *dx_hbtp_p_default(uint8_t opcode)
{
    switch (opcode) {
    case DX_HBTP_OP_PING: return dx_hbtp_p_on_ping;
    case DX_HBTP_OP_CLOSE: return dx_hbtp_p_on_close;
    case DX_HBTP_OP_RPC_CALL: return dx_hbtp_p_on_call;
    case DX_HBTP_OP_RPC_STREAM_START:
    case DX_HBTP_OP_RPC_STREAM_CHUNK:
    case DX_HBTP_OP_RPC_STREAM_END: return dx_hbtp_p_on_stream;
    case DX_HBTP_OP_PONG:
    case DX_HBTP_OP_RPC_RESPONSE:
    case DX_HBTP_OP_RPC_ERROR: return dx_hbtp_p_on_answer;
    case DX_HBTP_OP_EXTENDED: return dx_hbtp_p_on_unknown;
    default:
        return dx_hbtp_opcode_is_defined(opcode) ? dx_hbtp_p_on_no_route : dx_hbtp_p_on_unknown;
    }
}

static int dx_hbtp_p_set_route(dx_hbtp_route *route, dx_hbtp_handler_fn *fn, void *user)
{
    DX_HBTP_ASSERT(fn);
    route->fn = fn;
    route->user = user;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_router_init(dx_hbtp_router *router)
{
    unsigned i;
    if (!router) return DX_HBTP_EINVAL;
    for (i = 0; i < 256; i++) {
        dx_hbtp_p_set_route(&router->opcodes_[i], dx_hbtp_p_default((uint8_t)i), NULL);
        dx_hbtp_p_set_route(&router->methods_[i], dx_hbtp_p_on_no_route, NULL);
    }
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_router_set(dx_hbtp_router *router, uint8_t opcode,
                                   dx_hbtp_handler_fn *fn, void *user)
{
    if (!router || dx_hbtp_p_is_answer(opcode)) return DX_HBTP_EINVAL;
    return dx_hbtp_p_set_route(&router->opcodes_[opcode], fn ? fn : dx_hbtp_p_default(opcode),
                               user);
}

DX_HBTP_API int dx_hbtp_router_set_method(dx_hbtp_router *router, uint8_t method,
                                          dx_hbtp_handler_fn *fn, void *user)
{
    if (!router) return DX_HBTP_EINVAL;
    return dx_hbtp_p_set_route(&router->methods_[method], fn ? fn : dx_hbtp_p_on_no_route, user);
}

/* >>agreement -----------------------------------------------------------
   Both Hellos are lists of fields, and so is the prefix of a payload with EXTRA:

       | tag | size | value ... | tag | size | value ... |        tags ascend
       0     1      3           3 + size

   The accepting side switches to version 2 when it handles the Hello, the other when it gets the
   answer. Frames keep their order, so the other side understands whatever either sends after that:

       say_hello --- Hello ---> hello_handler: agree
                                     |  (deadlines, ... from here on)
       on_result <-- answer ---------'
       agree

   The session reaches this section through v2_, so a program of version 1 does not link it. */
enum {
    DX_HBTP_P_TAG_VERSIONS = 1,
    DX_HBTP_P_TAG_LIMITS   = 2,
    DX_HBTP_P_TAG_FEATURES = 3,
    DX_HBTP_P_TAG_NEEDS    = 4,
    DX_HBTP_P_TAG_CODECS   = 5,
    DX_HBTP_P_TAG_AGENT    = 6,
    DX_HBTP_P_TAG_IDENTITY = 7,
    DX_HBTP_P_TAG_KEY      = 8,
    DX_HBTP_P_TAG_TOKEN    = 9,
    DX_HBTP_P_LIMITS_SIZE  = 16,
    DX_HBTP_P_CODEC_ZSTD   = 1
};

DX_HBTP_API int dx_hbtp_next_field(const uint8_t **list, size_t *left, uint8_t *tag,
                                   const uint8_t **value)
{
    const uint8_t *p = *list;
    uint16_t size;
    if (*left < DX_HBTP_P_FIELD_HEAD) return -1;
    size = dx_hbtp_p_load16(p + 1);
    if (size > *left - DX_HBTP_P_FIELD_HEAD) return -1;
    *tag = p[0];
    *value = p + DX_HBTP_P_FIELD_HEAD;
    *list = *value + size;
    *left -= DX_HBTP_P_FIELD_HEAD + (size_t)size;
    return size;
}

/* Write the deadline as a list of fields, followed by the request's own head. */
static size_t dx_hbtp_p_put_deadline(const dx_hbtp_session *s, uint8_t *out, const uint8_t *head,
                                     size_t size, uint64_t deadline_ns)
{
    const uint64_t now = s->desc.now_ns ? s->desc.now_ns(s) : s->now_ns_;
    const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    /* At least 1 while any time is left: 0 means expired. */
    const uint64_t ms = left && left < DX_HBTP_P_MS ? 1 : left / DX_HBTP_P_MS;
    const size_t fields = DX_HBTP_P_FIELD_HEAD + 4;
    dx_hbtp_p_store16(out, (uint16_t)fields);
    out[2] = DX_HBTP_P_EXTRA_DEADLINE;
    dx_hbtp_p_store16(out + 3, 4);
    dx_hbtp_p_store32(out + 5, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
    DX_HBTP_MEMCPY(out + 2 + fields, head, size);
    return 2 + fields + size;
}

/* Parse the fields before a payload and remove them. Returns an error or status, or 0. */
static int dx_hbtp_p_parse_extra(dx_hbtp_session *s, dx_hbtp_frame *f)
{
    const uint8_t *list = f->payload + 2;
    const uint8_t *value;
    size_t left = f->payload_size < 2 ? SIZE_MAX : dx_hbtp_p_load16(f->payload);
    int before = -1; /* so that tag 0 is accepted first */
    uint8_t tag;
    int size;
    if (left == SIZE_MAX || left > f->payload_size - 2u) return DX_HBTP_ETRUNCATED;
    f->payload += 2 + left;
    f->payload_size -= 2 + (uint32_t)left;
    f->flags &= (uint8_t)~DX_HBTP_FLAG_EXTRA;
    while ((size = dx_hbtp_next_field(&list, &left, &tag, &value)) >= 0) {
        if (tag <= before) return DX_HBTP_ECORRUPT;
        if (tag >= DX_HBTP_P_FIELD_NEEDED) return DX_HBTP_STATUS_NOT_KNOWN;
        if (tag == DX_HBTP_P_EXTRA_DEADLINE && size < 4) return DX_HBTP_ETRUNCATED;
        if (tag == DX_HBTP_P_EXTRA_DEADLINE && !s->retried_) { /* a retry keeps it */
            s->limit_ns_ = (uint64_t)dx_hbtp_p_load32(value) * DX_HBTP_P_MS;
            s->limit_ns_ = s->limit_ns_ > UINT64_MAX - s->now_ns_ ? UINT64_MAX
                                                                 : s->now_ns_ + s->limit_ns_;
        }
        before = tag;
    }
    DX_HBTP_ASSERT(list <= f->payload);
    return left ? DX_HBTP_ECORRUPT : DX_HBTP_OK;
}

static int dx_hbtp_p_refuse_hello(const dx_hbtp_context *c, uint16_t status, const char *why);

/* Before the handler: parse the fields and decide whether the frame may be handled at all. Returns
   an error, or the status that refuses it. */
static int dx_hbtp_p_check_frame(dx_hbtp_session *s, dx_hbtp_frame *f)
{
    const bool fields = s->peer.version >= DX_HBTP_P_VERSION &&
                        (f->flags & DX_HBTP_FLAG_EXTRA) && !dx_hbtp_p_is_opaque(f->flags);
    const int error = fields ? dx_hbtp_p_parse_extra(s, f) : DX_HBTP_OK;
    if (error && dx_hbtp_p_is_answer(f->opcode)) /* end its request as unreadable */
        f->flags |= DX_HBTP_FLAG_COMPRESSED;
    if (error) return error;
    if (s->hello_first_ && f->opcode != DX_HBTP_OP_HELLO && !dx_hbtp_p_is_answer(f->opcode))
        return DX_HBTP_STATUS_OTHER_VERSION; /* an unidentified peer reaches no handler */
    if (!dx_hbtp_p_is_request(f->opcode, f->flags)) return DX_HBTP_OK;
    if (s->limit_ns_ <= s->now_ns_) return DX_HBTP_STATUS_TIMEOUT;
    /* A handler that ran before the drain may finish. Drains may cross. */
    if (s->drains_ && !s->retried_ && f->opcode != DX_HBTP_OP_PING && f->opcode != DX_HBTP_OP_DRAIN)
        return DX_HBTP_STATUS_UNAVAILABLE;
    return DX_HBTP_OK;
}

/* Opcodes without a handler of the program. Hello: an error if we have said ours. Drain: the peer
   will close. RpcCancel: the peer stopped waiting; the program may stop too, but still answers. */
static int dx_hbtp_p_on_v2_frame(const dx_hbtp_context *c)
{
    dx_hbtp_session *s = c->session;
    const bool drain = c->frame->opcode == DX_HBTP_OP_DRAIN;
    int error;
    if (c->frame->opcode == DX_HBTP_OP_HELLO && s->hello_seq_ &&
        dx_hbtp_p_is_request(c->frame->opcode, c->frame->flags))
        return dx_hbtp_p_refuse_hello(c, DX_HBTP_STATUS_BAD_REQUEST, NULL);
    if (s->peer.version < DX_HBTP_P_VERSION ||
        (!drain && c->frame->opcode != DX_HBTP_OP_RPC_CANCEL))
        return dx_hbtp_p_refuse_route(c);
    if (drain != dx_hbtp_p_is_request(c->frame->opcode, c->frame->flags))
        return DX_HBTP_STATUS_BAD_REQUEST;
    if (!drain) {
        if (s->pending_ && s->desc.on_cancel) s->desc.on_cancel(s, c->frame->sequence);
        return DX_HBTP_OK;
    }
    error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
    if (error) return error;
    c->out->committed_ = true;
    s->peer.drains = true;
    dx_hbtp_p_event(s, DX_HBTP_EVENT_DRAIN, c->frame); /* last: the program may close inside */
    return DX_HBTP_OK;
}

/* Append a field to a list of `size` bytes. Returns the new size; 0: no room. */
static size_t dx_hbtp_p_put_field(uint8_t *list, size_t size, size_t capacity, uint8_t tag,
                                  const void *value, size_t value_size)
{
    DX_HBTP_ASSERT(size <= capacity && value_size <= UINT16_MAX);
    if (capacity - size < DX_HBTP_P_FIELD_HEAD + value_size) return 0;
    list[size] = tag;
    dx_hbtp_p_store16(list + size + 1, (uint16_t)value_size);
    if (value_size) DX_HBTP_MEMCPY(list + size + DX_HBTP_P_FIELD_HEAD, value, value_size);
    return size + DX_HBTP_P_FIELD_HEAD + value_size;
}

/* Where the text of a tag is stored; NULL: not a text. */
static dx_hbtp_text *dx_hbtp_p_text(dx_hbtp_who *who, uint8_t tag)
{
    switch (tag) {
    case DX_HBTP_P_TAG_AGENT: return &who->agent;
    case DX_HBTP_P_TAG_IDENTITY: return &who->identity;
    case DX_HBTP_P_TAG_KEY: return &who->key;
    case DX_HBTP_P_TAG_TOKEN: return &who->token;
    default: return NULL;
    }
}

static uint32_t dx_hbtp_p_features(const dx_hbtp_hello *mine)
{
    return mine->features | (uint32_t)DX_HBTP_FEATURES_KNOWN;
}

/* Write our Hello as a payload. Returns its size; 0: no room. */
static size_t dx_hbtp_p_put_hello(const dx_hbtp_session *s, const dx_hbtp_hello *h, uint8_t *p,
                                  size_t capacity)
{
    uint8_t limits[DX_HBTP_P_LIMITS_SIZE];
    uint8_t word[4];
    const uint8_t versions[2] = {(uint8_t)(h->needs ? DX_HBTP_P_VERSION : 1), DX_HBTP_P_VERSION};
    const uint8_t zstd = DX_HBTP_P_CODEC_ZSTD;
    dx_hbtp_who who = h->who;
    size_t n;
    uint8_t tag;
    dx_hbtp_p_store32(limits, s->desc.payload_max);
    dx_hbtp_p_store32(limits + 4, s->desc.pending_max);
    dx_hbtp_p_store32(limits + 8, s->desc.streams_max);
    dx_hbtp_p_store32(limits + 12, h->credit);
    n = dx_hbtp_p_put_field(p, 0, capacity, DX_HBTP_P_TAG_VERSIONS, versions, sizeof versions);
    if (n) n = dx_hbtp_p_put_field(p, n, capacity, DX_HBTP_P_TAG_LIMITS, limits, sizeof limits);
    dx_hbtp_p_store32(word, dx_hbtp_p_features(h));
    if (n) n = dx_hbtp_p_put_field(p, n, capacity, DX_HBTP_P_TAG_FEATURES, word, sizeof word);
    dx_hbtp_p_store32(word, h->needs);
    if (n && h->needs)
        n = dx_hbtp_p_put_field(p, n, capacity, DX_HBTP_P_TAG_NEEDS, word, sizeof word);
    if (n && s->desc.codec)
        n = dx_hbtp_p_put_field(p, n, capacity, DX_HBTP_P_TAG_CODECS, &zstd, sizeof zstd);
    for (tag = DX_HBTP_P_TAG_AGENT; n && tag <= DX_HBTP_P_TAG_TOKEN; tag++) {
        const dx_hbtp_text *text = dx_hbtp_p_text(&who, tag);
        if (text->size) n = dx_hbtp_p_put_field(p, n, capacity, tag, text->bytes, text->size);
    }
    return n;
}

/* Parse one field of a Hello. Returns the status that refuses it, or 0. */
static uint16_t dx_hbtp_p_read_field(dx_hbtp_offer *o, uint8_t tag, const uint8_t *value, int size)
{
    static const uint8_t least[DX_HBTP_P_TAG_CODECS] = {0, 2, DX_HBTP_P_LIMITS_SIZE, 4, 4};
    dx_hbtp_text *text;
    if (tag >= DX_HBTP_P_FIELD_NEEDED) return DX_HBTP_STATUS_NOT_KNOWN;
    if (tag < DX_HBTP_P_TAG_CODECS && size < least[tag]) return DX_HBTP_STATUS_BAD_REQUEST;
    if (tag == DX_HBTP_P_TAG_VERSIONS) {
        o->version_min = value[0];
        o->version_max = value[1];
    } else if (tag == DX_HBTP_P_TAG_LIMITS) {
        o->limits.payload_max = dx_hbtp_p_load32(value);
        o->limits.requests_max = dx_hbtp_p_load32(value + 4);
        o->limits.streams_max = dx_hbtp_p_load32(value + 8);
        o->limits.credit = dx_hbtp_p_load32(value + 12);
    } else if (tag == DX_HBTP_P_TAG_FEATURES) {
        o->features = dx_hbtp_p_load32(value);
    } else if (tag == DX_HBTP_P_TAG_NEEDS) {
        o->needs = dx_hbtp_p_load32(value);
    } else if (tag == DX_HBTP_P_TAG_CODECS) {
        while (size--) o->limits.zstd |= value[size] == DX_HBTP_P_CODEC_ZSTD;
    }
    text = dx_hbtp_p_text(&o->who, tag);
    if (!text) return DX_HBTP_STATUS_NONE;
    text->bytes = value;
    text->size = (uint16_t)size;
    return DX_HBTP_STATUS_NONE;
}

/* Parse a Hello and check that both sides are compatible. Returns the status
   that says why not, or 0. */
static uint16_t dx_hbtp_p_read_hello(const dx_hbtp_hello *mine, const uint8_t *list, size_t left,
                                     dx_hbtp_offer *o)
{
    const uint8_t *value;
    uint16_t status = DX_HBTP_STATUS_NONE;
    int before = -1; /* so that tag 0 is accepted first */
    uint8_t tag;
    int size;
    DX_HBTP_MEMSET(o, 0, sizeof *o);
    while ((size = dx_hbtp_next_field(&list, &left, &tag, &value)) >= 0) {
        if (tag <= before) return DX_HBTP_STATUS_BAD_REQUEST;
        status = dx_hbtp_p_read_field(o, tag, value, size);
        if (status) return status;
        before = tag;
    }
    if (left || !o->version_max || o->version_min > o->version_max ||
        o->limits.credit > INT32_MAX ||
        (o->limits.payload_max && o->limits.payload_max < DX_HBTP_P_PAYLOAD_MIN))
        return DX_HBTP_STATUS_BAD_REQUEST;
    if (o->version_min > DX_HBTP_P_VERSION || (mine->needs && o->version_max < DX_HBTP_P_VERSION))
        return DX_HBTP_STATUS_OTHER_VERSION;
    if ((o->needs & ~dx_hbtp_p_features(mine)) || (mine->needs & ~o->features))
        return DX_HBTP_STATUS_NOT_KNOWN;
    return DX_HBTP_STATUS_NONE;
}

static bool dx_hbtp_p_on_v2_result(dx_hbtp_session *s, const dx_hbtp_result *r);
static const struct dx_hbtp_p_v2_hooks dx_hbtp_p_v2 = {
    dx_hbtp_p_check_frame, dx_hbtp_p_on_v2_frame, dx_hbtp_p_on_v2_result, dx_hbtp_p_put_deadline};

/* Switch to version 2, if the peer speaks it. */
static void dx_hbtp_p_agree(dx_hbtp_session *s, const dx_hbtp_hello *mine, const dx_hbtp_offer *o)
{
    const bool drains = s->peer.drains;
    DX_HBTP_ASSERT(o->version_max && o->version_min <= DX_HBTP_P_VERSION);
    if (o->version_max < DX_HBTP_P_VERSION) return;
    s->peer = o->limits;
    s->peer.drains = drains;
    s->peer.version = DX_HBTP_P_VERSION;
    s->peer.features = o->features & dx_hbtp_p_features(mine);
    if (s->peer.payload_max) (void)dx_hbtp_out_set_payload_max(s->desc.out, s->peer.payload_max);
    s->credit_ = mine->credit;
    s->v2_ = &dx_hbtp_p_v2;
}

/* Streams opened between our Hello and its answer: the peer had already agreed when it got them, so
   it counts its initial credit. Add it here too. */
static void dx_hbtp_p_add_first_credit(dx_hbtp_session *s)
{
    uint32_t i;
    for (i = 0; i < s->stream_count_; i++) {
        struct dx_hbtp_p_stream *st = &s->streams_[i];
        if ((st->id & DX_HBTP_P_OURS) && s->peer.credit <= UINT32_MAX - st->send_credit)
            st->send_credit += s->peer.credit;
    }
}

static void dx_hbtp_p_report_first_credit(dx_hbtp_session *s)
{
    dx_hbtp_stream_event event;
    uint32_t i;
    for (i = s->stream_count_; i-- > 0;) { /* backwards: the last one replaces one that ends */
        if (i >= s->stream_count_ || !(s->streams_[i].id & DX_HBTP_P_OURS) ||
            (s->streams_[i].ends & (DX_HBTP_P_CANCELED | DX_HBTP_P_SENT_END)))
            continue;
        DX_HBTP_MEMSET(&event, 0, sizeof event);
        event.kind = DX_HBTP_STREAM_CHUNK;
        event.stream = s->streams_[i].id;
        dx_hbtp_p_report(s, &event);
    }
}

/* The Hello failed: send a Close with the reason and end the session. */
static void dx_hbtp_p_close_refused(dx_hbtp_session *s, uint16_t status, int error,
                                    const dx_hbtp_frame *frame)
{
    const size_t limit = dx_hbtp_p_lift_limit(s);
    DX_HBTP_ASSERT(dx_hbtp_p_is_status(status));
    (void)dx_hbtp_write_close(s->desc.out, status, NULL);
    s->desc.out->limit_ = limit;
    dx_hbtp_p_wrote(s);
    dx_hbtp_p_event(s, DX_HBTP_EVENT_REFUSED, frame);
    dx_hbtp_p_close_session(s, error, NULL);
}

/* Refuse the peer's Hello; why: NULL, or the text. Where that has no room, the status remains. */
static int dx_hbtp_p_refuse_hello(const dx_hbtp_context *c, uint16_t status, const char *why)
{
    if (dx_hbtp_write_rpc_error(c->out, c->frame->sequence, status, why))
        (void)dx_hbtp_write_rpc_error(c->out, c->frame->sequence, status, NULL);
    dx_hbtp_p_close_refused(c->session, status, DX_HBTP_EVERSION, c->frame);
    return DX_HBTP_OK;
}

/* The end of our Hello or Drain: an answer, an error, or a timeout. False: another request. */
static bool dx_hbtp_p_on_v2_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    const dx_hbtp_hello *const mine = s->hello_;
    dx_hbtp_offer offer;
    uint16_t status = DX_HBTP_STATUS_NONE;
    if (s->drain_seq_ && r->sequence == s->drain_seq_) {
        s->drain_seq_ = 0;
        return true;
    }
    if (!mine || r->sequence != s->hello_seq_) return false;
    s->hello_ = NULL;
    if (s->state == DX_HBTP_CLOSED) return true;
    if (r->error == DX_HBTP_OK)
        status = dx_hbtp_p_read_hello(mine, r->payload, r->payload_size, &offer);
    else if (r->error == DX_HBTP_EREMOTE && r->status != DX_HBTP_STATUS_NOT_FOUND)
        status = dx_hbtp_p_is_status(r->status) ? r->status : (uint16_t)DX_HBTP_STATUS_BAD_REQUEST;
    else if (r->error == DX_HBTP_ETIMEDOUT)
        status = DX_HBTP_STATUS_TIMEOUT;
    else if (mine->needs || r->error != DX_HBTP_EREMOTE)
        status = DX_HBTP_STATUS_OTHER_VERSION; /* a peer without Hello, and we require version 2 */
    if (status) {
        const bool silent = r->error == DX_HBTP_ETIMEDOUT;
        dx_hbtp_p_close_refused(s, status, silent ? DX_HBTP_ETIMEDOUT : DX_HBTP_EVERSION, r->frame);
        return true;
    }
    if (r->error == DX_HBTP_OK) dx_hbtp_p_agree(s, mine, &offer);
    if (s->peer.credit) dx_hbtp_p_add_first_credit(s);
    dx_hbtp_p_event(s, DX_HBTP_EVENT_HELLO, r->frame);
    if (s->peer.credit && s->state != DX_HBTP_CLOSED) dx_hbtp_p_report_first_credit(s);
    return true;
}

DX_HBTP_API int dx_hbtp_say_hello(dx_hbtp_session *s, const dx_hbtp_hello *hello,
                                  uint64_t deadline_ns)
{
    uint8_t *p;
    size_t room;
    size_t size;
    int error;
    if (!s || !hello || s->hello_ || s->hello_seq_ || s->stream_count_ ||
        s->desc.payload_max < DX_HBTP_P_PAYLOAD_MIN || hello->credit > INT32_MAX)
        return DX_HBTP_EINVAL;
    p = dx_hbtp_out_next(s->desc.out);
    room = dx_hbtp_p_own_room(s);
    if (room < DX_HBTP_HEADER_SIZE) return DX_HBTP_ENOSPACE;
    size = dx_hbtp_p_put_hello(s, hello, p, room - DX_HBTP_HEADER_SIZE);
    if (!size) return DX_HBTP_ENOSPACE;
    error = dx_hbtp_request(s, DX_HBTP_OP_HELLO, 0, p, size, deadline_ns, NULL, &s->hello_seq_);
    if (error) return error;
    s->v2_ = &dx_hbtp_p_v2;
    s->hello_ = hello;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_hello_handler(const dx_hbtp_context *c)
{
    const size_t extra = DX_HBTP_HEADER_SIZE + dx_hbtp_p_tag(c->out) + DX_HBTP_CHECKSUM_SIZE;
    const size_t room = dx_hbtp_out_room(c->out);
    const dx_hbtp_hello *mine = (const dx_hbtp_hello *)c->user;
    dx_hbtp_session *s = c->session;
    dx_hbtp_offer offer;
    const char *why = NULL;
    size_t size;
    int status = s->hello_seq_ || !c->frame->sequence ? DX_HBTP_STATUS_BAD_REQUEST : 0;
    if (!(c->frame->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) return DX_HBTP_STATUS_BAD_REQUEST;
    if (room < extra || !dx_hbtp_p_put_hello(s, mine, dx_hbtp_out_next(c->out), room - extra))
        return DX_HBTP_ENOSPACE; /* before admit runs */
    if (!status) status = dx_hbtp_p_read_hello(mine, c->payload, c->payload_size, &offer);
    offer.why = &why;
    if (!status && mine->admit) status = mine->admit(mine->user, s, &offer);
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_OK; /* by admit */
    if (status) return dx_hbtp_p_refuse_hello(c, dx_hbtp_p_status(status), why);
    size = dx_hbtp_p_put_hello(s, mine, dx_hbtp_out_next(c->out), room - extra);
    status = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, dx_hbtp_out_next(c->out), size);
    if (status) return status;
    c->out->committed_ = true;
    s->hello_seq_ = c->frame->sequence;
    s->hello_first_ = false;
    dx_hbtp_p_agree(s, mine, &offer);
    dx_hbtp_p_event(s, DX_HBTP_EVENT_HELLO, c->frame);
    return DX_HBTP_OK;
}

DX_HBTP_API void dx_hbtp_require_hello(dx_hbtp_session *s)
{
    if (!s) return;
    s->v2_ = &dx_hbtp_p_v2;
    s->hello_first_ = true;
    s->budget_ = 0; /* end a running feed after this frame: the fast path would skip the check */
}

DX_HBTP_API int dx_hbtp_drain(dx_hbtp_session *s, uint16_t status, const char *text)
{
    const uint32_t word = dx_hbtp_p_word(DX_HBTP_OP_DRAIN, DX_HBTP_FLAG_EXPECTS_RESPONSE, 0);
    uint8_t head[4];
    int error;
    if (!s) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_ECANCELED;
    s->v2_ = &dx_hbtp_p_v2;
    s->drains_ = true;
    s->budget_ = 0; /* as above */
    if (s->hello_) return DX_HBTP_EAGAIN; /* its Hello will say whether it knows Drain */
    if (s->drain_sent_ || !(s->peer.features & DX_HBTP_FEATURE_DRAIN)) return DX_HBTP_OK;
    if (!text) text = dx_hbtp_status_text(status);
    dx_hbtp_p_store32(head, status);
    error = dx_hbtp_p_request(s, word, head, sizeof head, text, dx_hbtp_p_length(text), UINT64_MAX,
                              NULL, &s->drain_seq_);
    s->drain_sent_ = !error;
    return error;
}

/* >>dispatch ------------------------------------------------------------
   From a whole frame to a handler, and from its result to an answer:

       policy -> open -> unpack -> resolve Extended -> limits -> handler -> settle
         |        |        |             |               |                    |
        close    close   RpcError     RpcError        RpcError      keep, roll back, or retry

   The output of a handler lies between `mark` and used_. Rolling it back resets used_ to the mark,
   unless it was committed (committed_). Most frames need none of these steps and take a fast path,
   dx_hbtp_p_dispatch_plain(). */

/* Before a handler: only the answer to its request may use the room for answers. So an RpcError
   always fits until the answer is written. */
static void dx_hbtp_p_begin_call(dx_hbtp_session *s, bool request, uint16_t sequence)
{
    dx_hbtp_out *const out = s->desc.out;
    s->handler_waits_ = false;
    out->limit_ = dx_hbtp_p_limit(s);
    out->request_ = request ? sequence : DX_HBTP_P_NO_REQUEST;
    out->answered_ = false;
    out->committed_ = false;
}

static void dx_hbtp_p_end_call(dx_hbtp_session *s)
{
    DX_HBTP_ASSERT(DX_HBTP_P_IS_SOUND(s->desc.out));
    s->desc.out->limit_ = dx_hbtp_p_limit(s);
    s->desc.out->request_ = DX_HBTP_P_NO_REQUEST;
}

/* Act on a handler's result other than 0. False: the frame stays, for a retry. Output is rolled
   back whole or not at all: once one frame of it is committed, all are. */
static bool dx_hbtp_p_settle(dx_hbtp_session *s, const dx_hbtp_frame *frame, int result,
                             size_t mark)
{
    dx_hbtp_out *out = s->desc.out;
    DX_HBTP_ASSERT(result);
    if (s->state == DX_HBTP_CLOSED) return true;
    if (result == DX_HBTP_LATER) {
        if (out->request_ != DX_HBTP_P_NO_REQUEST && !out->answered_) s->pending_++;
        return true;
    }
    if (!out->committed_) {
        DX_HBTP_ASSERT(out->used_ >= mark);
        out->used_ = mark;
        out->answered_ = false;
        if (s->desc.cipher) s->desc.cipher->sealed = s->sealed_; /* never sent */
    }
    if (!out->answered_ &&
        (result == DX_HBTP_EAGAIN || (result == DX_HBTP_ENOSPACE && out->used_))) {
        s->state = result == DX_HBTP_EAGAIN ? DX_HBTP_WANTS_TURN : DX_HBTP_WANTS_OUTPUT;
        s->handler_waits_ = result == DX_HBTP_ENOSPACE;
        return false;
    }
    if (out->answered_) dx_hbtp_p_event(s, DX_HBTP_EVENT_FAILED, frame);
    else dx_hbtp_p_refuse(s, frame, dx_hbtp_p_status(result), DX_HBTP_EVENT_FAILED);
    return true;
}

static int dx_hbtp_p_call(dx_hbtp_session *s, const dx_hbtp_frame *frame)
{
    const uint8_t slot = (uint8_t)(dx_hbtp_p_word(frame->opcode, 0, 0) & 0xff);
    const dx_hbtp_router *router = s->desc.router;
    dx_hbtp_context c;
    DX_HBTP_ASSERT(!router || router->opcodes_[slot].fn);
    c.session = s;
    c.out = s->desc.out;
    c.frame = frame;
    c.payload = frame->payload;
    c.payload_size = frame->payload_size;
    c.now_ns = s->now_ns_;
    c.deadline_ns = s->limit_ns_;
    c.user = router ? router->opcodes_[slot].user : NULL;
    return router ? router->opcodes_[slot].fn(&c) : dx_hbtp_p_default(slot)(&c);
}

/* Decrypt, then unpack. < 0: unreadable; with a cipher, so is all that follows. */
static int dx_hbtp_p_decode(dx_hbtp_session *s, dx_hbtp_frame *f)
{
    const dx_hbtp_cipher *cipher = s->desc.cipher;
    int64_t n;
    if (DX_HBTP_P_SMALL) return DX_HBTP_OK;
    DX_HBTP_ASSERT(f->payload_size <= s->desc.payload_max);
    if (cipher) {
        if (!(f->flags & DX_HBTP_FLAG_ENCRYPTED)) return DX_HBTP_EHEADER;
        if (f->payload_size < DX_HBTP_TAG_SIZE ||
            cipher->open(cipher->user, cipher->opened, f->payload - DX_HBTP_HEADER_SIZE, f->payload,
                         f->payload_size, s->plain_))
            return DX_HBTP_ECORRUPT;
        f->payload = s->plain_;
        f->payload_size -= DX_HBTP_TAG_SIZE;
        f->flags &= (uint8_t)~DX_HBTP_FLAG_ENCRYPTED;
    }
    if (!s->desc.codec || (f->flags & DX_HBTP_P_OPAQUE) != DX_HBTP_FLAG_COMPRESSED)
        return DX_HBTP_OK;
    n = s->desc.codec->unpack(s->desc.codec->user, f->payload, f->payload_size, s->unpacked_,
                              s->desc.payload_max);
    if (n < 0) return (int)n;
    DX_HBTP_ASSERT((uint64_t)n <= s->desc.payload_max);
    f->payload = s->unpacked_;
    f->payload_size = (uint32_t)n;
    f->flags &= (uint8_t)~DX_HBTP_FLAG_COMPRESSED;
    return DX_HBTP_OK;
}

/* Dispatch a whole, verified frame; for a request, ANSWER_ROOM is free. False: it stays (state says
   why), or the error was fatal. */
static bool dx_hbtp_p_dispatch(dx_hbtp_session *s, dx_hbtp_frame *frame)
{
    const size_t mark = s->desc.out->used_;
    int error = DX_HBTP_OK;
    DX_HBTP_ASSERT(!dx_hbtp_p_is_request(frame->opcode, frame->flags) ||
                   dx_hbtp_p_can_answer(s, false));
    const bool second = s->peer.version >= DX_HBTP_P_VERSION;
    const unsigned known = DX_HBTP_FLAGS_KNOWN | (second ? (unsigned)DX_HBTP_FLAG_EXTRA : 0u);
    if (!s->retried_) s->limit_ns_ = UINT64_MAX;
    s->handler_waits_ = false; /* if a handler waited for room, it was this frame's */
    s->desc.out->limit_ = dx_hbtp_p_limit(s);
    if ((s->desc.reject_unknown_flags && (frame->flags & ~known)) ||
        (s->desc.require_checksum && !(frame->flags & DX_HBTP_FLAG_HAS_CHECKSUM))) {
        dx_hbtp_p_fail(s, DX_HBTP_EHEADER, frame);
        return false;
    }
    if (s->desc.cipher) s->sealed_ = s->desc.cipher->sealed;
    if ((frame->flags & DX_HBTP_P_OPAQUE) || s->desc.cipher) error = dx_hbtp_p_decode(s, frame);
    if (error && s->desc.cipher) {
        dx_hbtp_p_fail(s, error, frame);
        return false;
    }
    if (!error && s->v2_) error = s->v2_->check(s, frame);
    if (!error) error = dx_hbtp_resolve_extended(frame);
    if (error && !dx_hbtp_p_is_answer(frame->opcode)) {
        dx_hbtp_p_refuse(s, frame, dx_hbtp_p_status(error),
                         error > 0 ? DX_HBTP_EVENT_REFUSED : DX_HBTP_EVENT_FAILED);
    } else if (dx_hbtp_p_is_opaque(frame->flags) && !dx_hbtp_p_is_answer(frame->opcode)) {
        dx_hbtp_p_refuse(s, frame, DX_HBTP_STATUS_UNSUPPORTED, DX_HBTP_EVENT_REFUSED);
    } else if (s->pending_ >= s->desc.pending_max &&
               dx_hbtp_p_may_pend(frame->opcode, frame->flags)) {
        dx_hbtp_p_refuse(s, frame, DX_HBTP_STATUS_TOO_MANY, DX_HBTP_EVENT_REFUSED);
    } else {
        bool stays;
        dx_hbtp_p_begin_call(s, dx_hbtp_p_is_request(frame->opcode, frame->flags), frame->sequence);
        error = dx_hbtp_p_call(s, frame);
        stays = error && !dx_hbtp_p_settle(s, frame, error, mark);
        dx_hbtp_p_end_call(s);
        s->retried_ = stays;
        if (stays) return false;
    }
    s->retried_ = false;
    s->counters.frames++;
    s->counters.bytes += frame->frame_size;
    return true;
}

/* Fast path: frames that lie whole in the input, without flags except EXPECTS_RESPONSE and FINAL,
   not extended. Stops at the first other frame. Returns the bytes used. */
static size_t dx_hbtp_p_dispatch_plain(dx_hbtp_session *s, const uint8_t *p, size_t size)
{
    const uint32_t special = 0xff00u & ~((uint32_t)(DX_HBTP_FLAG_EXPECTS_RESPONSE |
                                                    DX_HBTP_FLAG_FINAL) << 8);
    const uint32_t payload_max = s->desc.payload_max;
    const dx_hbtp_router *const router = s->desc.router;
    const bool calls = router->opcodes_[DX_HBTP_OP_RPC_CALL].fn == dx_hbtp_p_on_call;
    const uint8_t *const end = p + size;
    const uint8_t *at = p;
    dx_hbtp_out *const out = s->desc.out;
    const dx_hbtp_route *route;
    dx_hbtp_frame f;
    dx_hbtp_context c;
    uint64_t frames = 0;
    bool stays = false;
    int result;
    c.session = s;
    c.out = out;
    c.frame = &f;
    c.now_ns = s->now_ns_;
    c.deadline_ns = UINT64_MAX;
    while (s->budget_ && end - at >= DX_HBTP_HEADER_SIZE) {
        const uint32_t word = dx_hbtp_p_load32(at), length = dx_hbtp_p_load32(at + 4);
        const uint8_t *const payload = at + DX_HBTP_HEADER_SIZE;
        const size_t mark = out->used_;
        const bool request =
            dx_hbtp_p_is_request((uint16_t)(word & 0xff), (uint8_t)(word >> 8 & 0xff));
        if ((request && !dx_hbtp_p_can_answer(s, false)) || length > payload_max ||
            length > (size_t)(end - payload) || (word & special) ||
            (word & 0xff) == DX_HBTP_OP_EXTENDED)
            break;
        f.payload_size = length;
        f.opcode = (uint16_t)(word & 0xff);
        f.sequence = (uint16_t)(word >> 16);
        f.flags = (uint8_t)(word >> 8 & 0xff);
        f.frame_size = DX_HBTP_HEADER_SIZE + (uint64_t)length;
        f.payload = payload;
        if ((word & 0xff) == DX_HBTP_OP_RPC_CALL && calls && length) {
            route = &router->methods_[*payload];
            c.payload = payload + 1;
            c.payload_size = length - 1;
        } else {
            route = &router->opcodes_[word & 0xff];
            c.payload = payload;
            c.payload_size = length;
        }
        c.user = route->user;
        s->budget_--;
        dx_hbtp_p_begin_call(s, request, f.sequence);
        result = route->fn(&c);
        stays = result && !dx_hbtp_p_settle(s, &f, result, mark);
        if (stays) break;
        at = payload + length;
        frames++;
        if (result && s->pending_ >= s->desc.pending_max) break;
    }
    DX_HBTP_ASSERT(at <= end);
    if (stays) s->limit_ns_ = UINT64_MAX; /* a plain frame states no deadline */
    s->retried_ = stays || (s->retried_ && !frames);
    dx_hbtp_p_end_call(s);
    s->counters.frames += frames;
    s->counters.bytes += (size_t)(at - p);
    return (size_t)(at - p);
}

/* >>feed ----------------------------------------------------------------
   The memory of a session, and how input becomes frames:

       memory     | slots | streams | buffer: one frame | unpacked | plain |

       input      | whole | whole | whole | begins ..         ..ends | whole | ...
                    in place                 \___ buffer_ ___/         in place

   Frames that lie whole in the input are dispatched in place. A partial frame is reassembled in the
   buffer: first its header, then as many bytes as the header asks for (need). An in_place session
   leaves reassembly to the caller. So the result does not depend on how the input was split.

   A chunk of a stream may be longer than payload_max: a peer of version 1 sends as much at once as
   it has credit for, and credit must cover a round trip. Such a chunk is dispatched in pieces, each
   like a frame of its own. Their sizes depend on payload_max and the length only:

       chunk      | header | credit | data ........ | data ............. | data . | checksum |
       pieces     | payload_max bytes of payload    | payload_max - 4    | the rest          |
                                        tail_ ----> |                    |        |

   The checksum is verified before the last piece is delivered; a mismatch ends the session, as for
   any frame. */

/* Can this chunk be dispatched in pieces? *f: as dx_hbtp_parse() leaves it on ETOOBIG. */
static bool dx_hbtp_p_is_long_chunk(const dx_hbtp_session *s, const dx_hbtp_frame *f)
{
    DX_HBTP_ASSERT(f->payload_size > s->desc.payload_max);
    return f->opcode == DX_HBTP_OP_RPC_STREAM_CHUNK &&
           f->payload_size <= DX_HBTP_STREAM_CHUNK_MAX + 4 && dx_hbtp_p_can_split(s) &&
           !(DX_HBTP_P_SMALL && (f->flags & DX_HBTP_FLAG_HAS_CHECKSUM));
}

/* Parse the next piece of the open chunk. As dx_hbtp_parse(). */
static int64_t dx_hbtp_p_parse_tail(const dx_hbtp_session *s, const uint8_t *p, size_t size,
                                    dx_hbtp_frame *f)
{
    const uint32_t most = s->desc.payload_max - 4; /* leaves room for a checksum in the buffer */
    const bool last = s->tail_ <= most;
    const bool checked = !DX_HBTP_P_SMALL && last && s->tail_checked_;
    f->payload = p;
    f->payload_size = last ? s->tail_ : most;
    f->opcode = DX_HBTP_OP_RPC_STREAM_CHUNK;
    f->sequence = 0;
    f->flags = 0;
    f->frame_size = f->payload_size + (checked ? (uint64_t)DX_HBTP_CHECKSUM_SIZE : 0u);
    if (size < f->frame_size) return 0;
    if (checked && DX_HBTP_CRC32C(s->tail_crc_, p, f->payload_size) !=
                       dx_hbtp_p_load32(p + f->payload_size))
        return DX_HBTP_ECORRUPT;
    return (int64_t)f->frame_size;
}

/* Parse the frame, or the piece of a long chunk, at p. As dx_hbtp_parse(). */
static int64_t dx_hbtp_p_parse_next(const dx_hbtp_session *s, const uint8_t *p, size_t size,
                                    dx_hbtp_frame *f)
{
    int64_t got;
    if (s->tail_) return dx_hbtp_p_parse_tail(s, p, size, f);
    got = dx_hbtp_parse_any(p, size, s->desc.payload_max, f);
    if (got != DX_HBTP_ETOOBIG || !dx_hbtp_p_is_long_chunk(s, f)) return got;
    f->payload_size = s->desc.payload_max; /* at most 16,388 bytes here */
    f->frame_size = DX_HBTP_HEADER_SIZE + (size_t)f->payload_size;
    return size < f->frame_size ? 0 : (int64_t)f->frame_size;
}

/* Dispatch a further piece of a chunk: only data, whose credit was counted with the first piece. */
static void dx_hbtp_p_dispatch_tail(dx_hbtp_session *s, const dx_hbtp_frame *f)
{
    dx_hbtp_stream_event event;
    DX_HBTP_ASSERT(f->payload_size && f->payload_size <= s->tail_);
    s->tail_ = (uint16_t)(s->tail_ - f->payload_size);
    if (!DX_HBTP_P_SMALL && s->tail_ && s->tail_checked_)
        s->tail_crc_ = DX_HBTP_CRC32C(s->tail_crc_, f->payload, f->payload_size);
    s->counters.frames++;
    s->counters.bytes += f->frame_size;
    if (!dx_hbtp_p_find_stream(s, s->tail_stream_)) return;
    DX_HBTP_MEMSET(&event, 0, sizeof event);
    event.kind = DX_HBTP_STREAM_CHUNK;
    event.stream = s->tail_stream_;
    event.data = f->payload;
    event.size = f->payload_size;
    dx_hbtp_p_report(s, &event);
}

/* Dispatch the result of dx_hbtp_p_parse_next(). As dx_hbtp_p_dispatch(). */
static bool dx_hbtp_p_dispatch_next(dx_hbtp_session *s, dx_hbtp_frame *f)
{
    const uint8_t *const header = f->payload - DX_HBTP_HEADER_SIZE; /* not for a further piece */
    bool done;
    if (s->tail_) {
        dx_hbtp_p_dispatch_tail(s, f);
        return true;
    }
    /* The difference is 0 except for a long chunk, whose length is at most 16,388. */
    s->behind_ = (uint16_t)((dx_hbtp_p_load32(header + 4) - f->payload_size) & 0xffff);
    if (s->behind_) {
        const uint32_t theirs = f->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE;
        s->tail_stream_ = f->sequence | (theirs ? 0u : (uint32_t)DX_HBTP_P_OURS);
        s->tail_checked_ = (f->flags & DX_HBTP_FLAG_HAS_CHECKSUM) != 0;
        if (!DX_HBTP_P_SMALL && s->tail_checked_)
            s->tail_crc_ = DX_HBTP_CRC32C(0, header, DX_HBTP_HEADER_SIZE + (size_t)f->payload_size);
    }
    done = dx_hbtp_p_dispatch(s, f);
    if (done) s->tail_ = s->behind_;
    s->behind_ = 0;
    return done;
}

/* Fill in the defaults. Returns the memory for slots, streams and buffers, in this order;
   0: a limit is too large. */
static size_t dx_hbtp_p_sizes(dx_hbtp_session_desc *d, uint32_t *slot_count)
{
    const unsigned buffers = (d->in_place ? 0u : 1u) + (d->codec ? 1u : 0u) + (d->cipher ? 1u : 0u);
    if (!d->payload_max) d->payload_max = DX_HBTP_PAYLOAD_MAX;
    if (!d->outstanding_max) d->outstanding_max = DX_HBTP_P_OUTSTANDING;
    if (!d->pending_max) d->pending_max = DX_HBTP_P_PENDING;
    if (!d->frames_max) d->frames_max = DX_HBTP_P_FRAMES;
    if (!d->frame_ns) d->frame_ns = (uint64_t)DX_HBTP_P_FRAME_S * DX_HBTP_P_SECOND;
    if (d->reply_room < DX_HBTP_REPLY_ROOM) d->reply_room = DX_HBTP_REPLY_ROOM;
    if (d->outstanding_max > DX_HBTP_OUTSTANDING_MAX || d->streams_max > DX_HBTP_P_STREAMS_MAX ||
        (buffers && (uint64_t)d->payload_max * 8 > SIZE_MAX))
        return 0;
    *slot_count = 1;
    while (*slot_count < d->outstanding_max) *slot_count *= 2;
    return *slot_count * sizeof(struct dx_hbtp_p_slot) +
           d->streams_max * sizeof(struct dx_hbtp_p_stream) + buffers * (size_t)d->payload_max +
           (d->in_place ? 0u : (size_t)DX_HBTP_HEADER_SIZE + DX_HBTP_CHECKSUM_SIZE);
}

DX_HBTP_API size_t dx_hbtp_session_memory_size(const dx_hbtp_session_desc *desc)
{
    dx_hbtp_session_desc d;
    uint32_t slot_count;
    if (!desc) return 0;
    d = *desc;
    return dx_hbtp_p_sizes(&d, &slot_count);
}

DX_HBTP_API int dx_hbtp_session_init(dx_hbtp_session *s, const dx_hbtp_session_desc *desc)
{
    size_t size;
    uint8_t *p;
    if (!s || !desc || !desc->memory || ((uintptr_t)desc->memory & 7) ||
        (desc->streams_max && !desc->on_stream) ||
        (DX_HBTP_P_SMALL && (desc->codec || desc->cipher)))
        return DX_HBTP_EINVAL;
    DX_HBTP_MEMSET(s, 0, sizeof *s);
    s->desc = *desc;
    size = dx_hbtp_p_sizes(&s->desc, &s->slot_count_);
    if (!size || dx_hbtp_session_set_out(s, desc->out)) return DX_HBTP_EINVAL;
    if (desc->memory_size < size) return DX_HBTP_ENOMEM;
    s->slots_ = (struct dx_hbtp_p_slot *)desc->memory;
    DX_HBTP_MEMSET(s->slots_, 0, s->slot_count_ * sizeof *s->slots_);
    s->streams_ = (struct dx_hbtp_p_stream *)(void *)(s->slots_ + s->slot_count_);
    p = (uint8_t *)desc->memory + size; /* output of cipher and codec: at the end */
    if (desc->cipher) {
        p -= s->desc.payload_max;
        s->plain_ = p;
    }
    if (desc->codec) {
        p -= s->desc.payload_max;
        s->unpacked_ = p;
    }
    if (!desc->in_place) s->buffer_ = (uint8_t *)(s->streams_ + desc->streams_max);
    DX_HBTP_ASSERT(!s->buffer_ || s->buffer_ + s->desc.payload_max < p);
    s->need = DX_HBTP_HEADER_SIZE;
    s->next_deadline_ns_ = UINT64_MAX;
    s->peer.version = 1;
    s->state = DX_HBTP_WANTS_INPUT;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_session_set_out(dx_hbtp_session *s, dx_hbtp_out *out)
{
    if (!s || !out || !out->memory_ || s->feeding_ || out->size_ < s->desc.reply_room ||
        out->size_ - s->desc.reply_room < DX_HBTP_P_OWN_ROOM)
        return DX_HBTP_EINVAL;
    s->desc.out = out;
    out->limit_ = dx_hbtp_p_limit(s);
    (void)dx_hbtp_out_set_payload_max(out, s->peer.payload_max);
    out->cipher_ = s->desc.cipher;
    out->flags_ = (uint8_t)((out->flags_ & ~DX_HBTP_FLAG_ENCRYPTED) |
                            (out->cipher_ ? DX_HBTP_FLAG_ENCRYPTED : 0));
    if (s->stuck_) s->hub_->changed_(s);
    return DX_HBTP_OK;
}

/* Get the next whole frame, from the input or the buffer. As dx_hbtp_parse(); *used: plus the
   bytes copied to the buffer. */
static int64_t dx_hbtp_p_next_frame(dx_hbtp_session *s, const uint8_t *p, size_t size,
                                    size_t *used, dx_hbtp_frame *frame)
{
    int64_t got = 0;
    size_t n;
    DX_HBTP_ASSERT(*used <= size && (s->buffer_ || !s->held_));
    if (!s->held_) {
        got = dx_hbtp_p_parse_next(s, p + *used, size - *used, frame);
        if (!got) s->need = frame->frame_size;
    }
    while (!got && s->buffer_) { /* twice at most: header, then the rest */
        n = size - *used;
        if (n > s->need - s->held_) n = (size_t)(s->need - s->held_);
        if (n) DX_HBTP_MEMCPY(s->buffer_ + s->held_, p + *used, n);
        *used += n;
        s->held_ += n;
        DX_HBTP_ASSERT(s->held_ <= s->need);
        if (s->held_ < s->need) return 0;
        got = dx_hbtp_p_parse_next(s, s->buffer_, s->held_, frame);
        if (!got) s->need = frame->frame_size;
    }
    return got;
}

/* Dispatch until input, room, turns or the session end. As dx_hbtp_feed(). */
static int64_t dx_hbtp_p_run(dx_hbtp_session *s, const uint8_t *p, size_t size)
{
    const bool plain = !DX_HBTP_P_SMALL && s->desc.router && !s->desc.cipher &&
                       !s->desc.require_checksum;
    dx_hbtp_frame frame;
    size_t used = 0;
    s->budget_ = s->desc.frames_max;
    for (;;) {
        int64_t got;
        s->state = DX_HBTP_WANTS_INPUT;
        if (plain && !s->held_ && !s->tail_ && !s->drains_ && !s->hello_first_ &&
            s->pending_ < s->desc.pending_max)
            used += dx_hbtp_p_dispatch_plain(s, p + used, size - used);
        if (s->state != DX_HBTP_WANTS_INPUT) break;
        got = dx_hbtp_p_next_frame(s, p, size, &used, &frame);
        if (!got) break;
        s->state = DX_HBTP_WANTS_OUTPUT;
        if ((got < 0 || dx_hbtp_p_is_request(frame.opcode, frame.flags)) &&
            !dx_hbtp_p_can_answer(s, got < 0))
            break;
        if (got < 0) return dx_hbtp_p_fail(s, (int)got, &frame);
        s->state = DX_HBTP_WANTS_TURN;
        if (!s->budget_) break;
        s->budget_--;
        if (!dx_hbtp_p_dispatch_next(s, &frame)) break;
        if (s->desc.cipher) s->desc.cipher->opened++;
        if (!s->held_) used += (size_t)frame.frame_size;
        s->held_ = 0;
        s->need = DX_HBTP_HEADER_SIZE;
        if (s->state == DX_HBTP_CLOSED) break;
    }
    DX_HBTP_ASSERT(used <= size);
    return s->state == DX_HBTP_CLOSED && s->error ? s->error : (int64_t)used;
}

/* Advance the clock; it starts with the first feed or tick. `heard`: new bytes arrived. */
static void dx_hbtp_p_clock(dx_hbtp_session *s, uint64_t now_ns, bool heard)
{
    s->now_ns_ = now_ns;
    if (heard || !s->clock_started_) {
        s->received_ns_ = now_ns;
        s->pinged_ = false;
    }
    s->clock_started_ = true;
}

/* An incomplete frame has a deadline: a peer that trickles bytes must not hold memory forever. The
   clock is stopped while a whole frame waits for us. */
static bool dx_hbtp_p_is_late(const dx_hbtp_session *s, uint64_t now_ns)
{
    return s->partial_ && now_ns >= s->begun_ns_ && now_ns - s->begun_ns_ >= s->desc.frame_ns;
}

/* After a feed: is there an incomplete frame, and since when? */
static void dx_hbtp_p_track_frame(dx_hbtp_session *s, bool dispatched)
{
    const bool partial =
        s->state == DX_HBTP_WANTS_INPUT && (s->held_ || s->left_ || s->tail_);
    if (partial && (dispatched || !s->partial_)) s->begun_ns_ = s->now_ns_;
    s->partial_ = partial;
}

DX_HBTP_API int64_t dx_hbtp_feed(dx_hbtp_session *s, const void *bytes, size_t size,
                                 uint64_t now_ns)
{
    static const uint8_t nothing = 0;
    const uint8_t *p = bytes ? (const uint8_t *)bytes : &nothing;
    uint64_t frames;
    int64_t used;
    if (!s || (!bytes && size) || s->feeding_) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return s->error ? s->error : DX_HBTP_ECANCELED;
    dx_hbtp_p_clock(s, now_ns, size > s->left_); /* repeated bytes are no sign of life */
    frames = s->counters.frames;
    s->feeding_ = true;
    dx_hbtp_p_flush_streams(s);
    if (s->stuck_) s->hub_->changed_(s);
    used = dx_hbtp_p_run(s, p, size);
    s->feeding_ = false;
    if (s->state == DX_HBTP_CLOSED) return used;
    DX_HBTP_ASSERT(used >= 0 && (uint64_t)used <= size);
    if (size) s->left_ = size - (size_t)used;
    dx_hbtp_p_track_frame(s, s->counters.frames != frames);
    return dx_hbtp_p_is_late(s, now_ns) ? dx_hbtp_p_fail(s, DX_HBTP_ETIMEDOUT, NULL) : used;
}

/* End the requests whose deadline has passed, and find the next deadline. */
static void dx_hbtp_p_expire(dx_hbtp_session *s, uint64_t now_ns)
{
    uint32_t i;
    s->next_deadline_ns_ = UINT64_MAX; /* on_result may add requests, which lower it again */
    for (i = 0; i < s->slot_count_ && s->state != DX_HBTP_CLOSED; i++) {
        struct dx_hbtp_p_slot *slot = &s->slots_[i];
        if (slot->state != DX_HBTP_P_WAITING || slot->deadline_ns == UINT64_MAX) continue;
        if (slot->deadline_ns <= now_ns)
            dx_hbtp_p_give_up(s, slot, DX_HBTP_ETIMEDOUT);
        else if (slot->deadline_ns < s->next_deadline_ns_)
            s->next_deadline_ns_ = slot->deadline_ns;
    }
}

/* Send a Ping after a silence, close after a second one. Returns the time of the next check. */
static uint64_t dx_hbtp_p_keep_alive(dx_hbtp_session *s, uint64_t now_ns)
{
    uint64_t since = s->pinged_ ? s->pinged_ns_ : s->received_ns_;
    DX_HBTP_ASSERT(s->desc.keepalive_ns && s->state != DX_HBTP_CLOSED);
    if (now_ns >= since && now_ns - since >= s->desc.keepalive_ns) {
        if (s->pinged_) {
            (void)dx_hbtp_p_fail(s, DX_HBTP_ETIMEDOUT, NULL);
            return UINT64_MAX;
        }
        const size_t limit = dx_hbtp_p_lift_limit(s);
        /* No room for it: the peer does not read, which counts as silence, too. */
        (void)dx_hbtp_write_frame(s->desc.out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 0,
                                  NULL, 0);
        s->desc.out->limit_ = limit;
        s->pinged_ = true;
        s->pinged_ns_ = since = now_ns;
    }
    return s->desc.keepalive_ns > UINT64_MAX - since ? UINT64_MAX : since + s->desc.keepalive_ns;
}

DX_HBTP_API uint64_t dx_hbtp_tick(dx_hbtp_session *s, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    if (!s || s->state == DX_HBTP_CLOSED) return UINT64_MAX;
    dx_hbtp_p_clock(s, now_ns, false);
    if (now_ns >= s->next_deadline_ns_) dx_hbtp_p_expire(s, now_ns);
    if (s->state != DX_HBTP_CLOSED && dx_hbtp_p_is_late(s, now_ns))
        (void)dx_hbtp_p_fail(s, DX_HBTP_ETIMEDOUT, NULL);
    if (s->desc.keepalive_ns && s->state != DX_HBTP_CLOSED) next = dx_hbtp_p_keep_alive(s, now_ns);
    if (s->state == DX_HBTP_CLOSED) return UINT64_MAX;
    dx_hbtp_p_flush_streams(s);
    if (s->stuck_) s->hub_->changed_(s);
    if (s->partial_ && s->desc.frame_ns <= UINT64_MAX - s->begun_ns_ &&
        s->begun_ns_ + s->desc.frame_ns < next)
        next = s->begun_ns_ + s->desc.frame_ns;
    return next < s->next_deadline_ns_ ? next : s->next_deadline_ns_;
}

DX_HBTP_API int dx_hbtp_close(dx_hbtp_session *s, uint16_t status, const char *text)
{
    size_t limit;
    int error;
    if (!s) return DX_HBTP_EINVAL;
    if (s->state == DX_HBTP_CLOSED) return DX_HBTP_ECANCELED;
    limit = dx_hbtp_p_lift_limit(s);
    error = dx_hbtp_write_close(s->desc.out, status, text);
    s->desc.out->limit_ = limit;
    if (error) return error;
    dx_hbtp_p_wrote(s);
    dx_hbtp_p_close_session(s, DX_HBTP_OK, NULL);
    return DX_HBTP_OK;
}

DX_HBTP_API bool dx_hbtp_is_idle(const dx_hbtp_session *s)
{
    return !s || (!s->waiting && !s->pending_ && !s->stream_count_);
}

DX_HBTP_API bool dx_hbtp_has_begun(const dx_hbtp_session *s, uint64_t *begun_ns)
{
    if (!s || !s->partial_) return false;
    if (begun_ns) *begun_ns = s->begun_ns_;
    return true;
}

DX_HBTP_API void dx_hbtp_abort(dx_hbtp_session *s)
{
    if (s) dx_hbtp_p_close_session(s, DX_HBTP_OK, NULL);
}

#endif /* DX_HBTP_IMPLEMENTATION */

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
