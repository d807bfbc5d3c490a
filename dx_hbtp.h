/*  dx_hbtp.h - v0.1.0 - binary frames, sessions and chunk streams; bytes in, bytes out
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
        config  opcodes  errors  frame  out  file chunk  router  session  chunk stream
        platform  shared  names  codec  writers  requests  routes  dispatch  feed  chunks  license

    THREE LAYERS, each usable alone
        frame         dx_hbtp_parse, dx_hbtp_write_*: stateless; 8-byte header, payload, optional
                      CRC-32C
        session       dx_hbtp_feed, dx_hbtp_tick, dx_hbtp_call: one per connection and side;
                      collects frames that arrive in pieces, calls handlers, matches answers to
                      requests, keeps the limits
        chunk stream  dx_hbtp_chunk_*: the plain one-way format with 5-byte headers, for HTTP
                      bodies and files

    HOW A SESSION IS DRIVEN
        bytes arrived      n = dx_hbtp_feed(s, bytes, size, now). n < 0: send what is in the
                           response buffer, then close the connection. n < size: keep bytes[n..];
                           dx_hbtp_session_state() says why. Feed them again once the response
                           buffer was sent, or at your next turn.
        socket writable    dx_hbtp_out_data(), send, dx_hbtp_out_consume(); then feed what was
                           left over. When nothing was, dx_hbtp_feed(s, NULL, 0, now) retries a
                           frame that the session itself holds.
        time passed        next = dx_hbtp_tick(s, now): expires requests, sends keepalive pings.
        connection lost    dx_hbtp_abort(s): every waiting request ends with ECANCELED.

    GUARANTEES  Any split of the input has the same result. A payload is handed out only when all
                of it is there, in place where it lies whole in the input. Every request ends
                exactly once. A writer writes a whole frame or nothing. No allocation, globals,
                recursion or printing. Finding a route is one load, whatever their number.
    LIMITS      Payload 1 MiB unless set otherwise (at most 2^32-1); 64 own requests and 64
                unanswered requests of the peer at a time (at most 32,768); 1,024 frames a feed.
                One thread per session and response buffer; a filled router may be shared.
                COMPRESSED and ENCRYPTED payloads are refused (status 415).
    CONFIG      DX_HBTP_STATIC, DX_HBTP_API, DX_HBTP_ASSERT(c), DX_HBTP_MEMCPY, DX_HBTP_MEMMOVE,
                DX_HBTP_MEMSET, DX_HBTP_MEMCMP
    ERRORS      dx_hbtp_error: 0 = ok, negative = reason. dx_hbtp_status: numbers that travel.
    OWNERSHIP   The caller owns every byte. What a handler is given is valid until it returns.
    FORMAT      docs/HBTP.md (normative, with hex vectors)
*/
#ifndef DX_HBTP_H
#define DX_HBTP_H

#define DX_HBTP_VERSION 0x000100 /* 0xMMmmpp */

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

#ifdef __cplusplus
extern "C" {
#endif

/* >>opcodes ------------------------------------------------------------ */
/* Every opcode of the format: value, constant, name. Values are fixed for good. */
#define DX_HBTP_OPCODES(X)                              \
    X(0x00, PING, "Ping")                               \
    X(0x01, PONG, "Pong")                               \
    X(0x02, CLOSE, "Close")                             \
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
#define DX_HBTP_P_ENUM(value, constant, name) DX_HBTP_OP_##constant = value,
    DX_HBTP_OPCODES(DX_HBTP_P_ENUM)
#undef DX_HBTP_P_ENUM
    DX_HBTP_OP_EXTENDED_FIRST = 0x100 /* 0x0100..0xffff travel inside an Extended frame */
} dx_hbtp_opcode;

typedef enum dx_hbtp_flag {
    DX_HBTP_FLAG_COMPRESSED       = 0x01, /* payload: zstd */
    DX_HBTP_FLAG_ENCRYPTED        = 0x02, /* payload: AEAD */
    DX_HBTP_FLAG_EXPECTS_RESPONSE = 0x04, /* the sender waits for an answer with this sequence */
    DX_HBTP_FLAG_FINAL            = 0x08, /* the last frame of its kind: of a transfer, a connection */
    DX_HBTP_FLAG_HAS_CHECKSUM     = 0x10, /* a CRC-32C of header and payload follows the payload */
    DX_HBTP_FLAGS_KNOWN           = 0x1f
} dx_hbtp_flag;

/* >>errors ------------------------------------------------------------- */
typedef enum dx_hbtp_error {
    DX_HBTP_OK          = 0,
    DX_HBTP_EINVAL      = -1,  /* an argument breaks its documented contract */
    DX_HBTP_ENOMEM      = -2,  /* the memory you gave is too small */
    DX_HBTP_ENOSPACE    = -3,  /* the response buffer is too full; nothing was written */
    DX_HBTP_ETOOBIG     = -4,  /* above a limit that you set */
    DX_HBTP_ECORRUPT    = -5,  /* a checksum, a reserved field or a magic number is wrong */
    DX_HBTP_EAGAIN      = -6,  /* try later: too many requests wait, or a reservation is open */
    DX_HBTP_ESYS        = -7,  /* unused here: common to all dx headers */
    DX_HBTP_ENOTSUP     = -8,  /* a payload needs a codec that is not there */
    DX_HBTP_ENOTFOUND   = -9,  /* no such route or request */
    DX_HBTP_ECANCELED   = -10, /* the session is closed */
    DX_HBTP_ETRUNCATED  = -11, /* the input or a payload ends too early */
    DX_HBTP_EVERSION    = -12, /* a format version that this build does not know */
    DX_HBTP_EHEADER     = -32, /* a header with flags that the session's policy forbids */
    DX_HBTP_ETIMEDOUT   = -33, /* no answer in time */
    DX_HBTP_EREMOTE     = -34, /* the peer answered with an RpcError */
    DX_HBTP_ECHUNKTYPE  = -35, /* chunk stream: type that does not exist */
    DX_HBTP_ECHUNKHEAD  = -36, /* chunk stream: Header body not 64 bytes, or Eof with a body */
    DX_HBTP_EDUPLICATE  = -37, /* chunk stream: Header, Layout, State or Wasm for the second time */
    DX_HBTP_EORDER      = -38, /* chunk stream: not in the order Header, Layout, State, Wasm */
    DX_HBTP_ENOPATCH    = -39, /* chunk stream: a Patch chunk, but no handler for it */
    DX_HBTP_ENOLAYOUT   = -40  /* chunk stream: ended without a Layout */
} dx_hbtp_error;

/* Numbers that travel in RpcError and Close, with the meaning that HTTP gave them. */
typedef enum dx_hbtp_status {
    DX_HBTP_STATUS_NONE         = 0,   /* Close: nothing is wrong */
    DX_HBTP_STATUS_BAD_REQUEST  = 400, /* header or payload cannot be read */
    DX_HBTP_STATUS_UNAUTHORIZED = 401,
    DX_HBTP_STATUS_NOT_FOUND    = 404, /* no handler for the opcode or the method */
    DX_HBTP_STATUS_TIMEOUT      = 408,
    DX_HBTP_STATUS_TOO_BIG      = 413, /* a payload above the receiver's limit */
    DX_HBTP_STATUS_UNSUPPORTED  = 415, /* COMPRESSED or ENCRYPTED without the codec */
    DX_HBTP_STATUS_TOO_MANY     = 429, /* too many requests are unanswered */
    DX_HBTP_STATUS_INTERNAL     = 500,
    DX_HBTP_STATUS_UNAVAILABLE  = 503
} dx_hbtp_status;

/* "DX_HBTP_ECORRUPT" and so on; "unknown error" for anything else. Never NULL. */
DX_HBTP_API const char *dx_hbtp_error_name(int error);
/* "Ping" and so on; "Unknown" for a value without a name, "Extended" from 0x100 on. Never NULL. */
DX_HBTP_API const char *dx_hbtp_opcode_name(uint16_t opcode);
/* True for the values of DX_HBTP_OPCODES; the others up to 0xff are reserved. */
DX_HBTP_API bool        dx_hbtp_opcode_is_defined(uint16_t opcode);
/* The name of ONE flag bit: "FINAL"; "UNKNOWN" for bits without a name and for sets. Never NULL. */
DX_HBTP_API const char *dx_hbtp_flag_name(uint8_t flag);
/* A short text for a status, "not found"; "error" for numbers without one. Never NULL. */
DX_HBTP_API const char *dx_hbtp_status_text(uint16_t status);
/* The status that an error of a handler becomes: EINVAL, ECORRUPT, ETRUNCATED 400; ENOTFOUND 404;
   ETIMEDOUT 408; ETOOBIG 413; ENOTSUP, EVERSION 415; every other one 500. */
DX_HBTP_API uint16_t    dx_hbtp_status_of_error(int error);

/* >>frame -------------------------------------------------------------- */
enum {
    DX_HBTP_HEADER_SIZE         = 8,
    DX_HBTP_CHECKSUM_SIZE       = 4,
    DX_HBTP_FILE_CHUNK_PREFIX   = 16,     /* transfer, crc32c, offset */
    DX_HBTP_FILE_CHUNK_OVERHEAD = 28,     /* header, prefix, room for a checksum */
    DX_HBTP_OUT_SIZE            = 4096,   /* response buffer where no size is given */
    DX_HBTP_REPLY_ROOM          = 80,     /* a session dispatches only while this much is free */
    DX_HBTP_OUTSTANDING_MAX     = 32768
};
#define DX_HBTP_MAX_PAYLOAD 1048576u /* payload limit of a session where none is given */

typedef struct dx_hbtp_header { /* the eight bytes, decoded */
    uint8_t  opcode;
    uint8_t  flags;
    uint16_t sequence;
    uint32_t length; /* payload bytes; the checksum is not counted */
} dx_hbtp_header;

typedef struct dx_hbtp_frame {   /* a view: borrowed from the bytes that were parsed */
    const uint8_t *payload;      /* never NULL in a parsed frame, not aligned */
    uint32_t       payload_size;
    uint16_t       opcode;       /* 0..0xff; 0x100.. once dx_hbtp_resolve_extended() has run */
    uint16_t       sequence;
    uint8_t        flags;
    uint64_t       frame_size;   /* header, payload and checksum; see dx_hbtp_parse() */
} dx_hbtp_frame;

typedef struct dx_hbtp_descriptor { /* one frame of a batch, 16 bytes */
    uint32_t payload_offset;        /* from the first byte of the batch */
    uint32_t payload_size;
    uint16_t sequence;
    uint16_t opcode;                /* as in the header: 0..0xff */
    uint8_t  flags;
    uint8_t  reserved[3];
} dx_hbtp_descriptor;

/* Decode the header. Returns 8; 0: fewer than 8 bytes (*header untouched). Any alignment. */
DX_HBTP_API int dx_hbtp_parse_header(const void *bytes, size_t size, dx_hbtp_header *header);
/* Encode the header into 8 bytes. */
DX_HBTP_API void dx_hbtp_put_header(uint8_t bytes[8], const dx_hbtp_header *header);
/* Parse the frame at `bytes`. Returns
     > 0  bytes consumed; *frame is complete and, where it has a checksum, verified
     0    need more: frame->frame_size says how many bytes from `bytes` on are needed at least (8
          until the header is there, then the whole frame); the other fields are not to be used
     < 0  ETOOBIG: the payload is longer than max_payload (known as soon as the header is there);
          ECORRUPT: wrong checksum; EINVAL: NULL where something must be.
   Reads no byte beyond `size` and nothing after the frame. O(1), with a checksum O(payload). */
DX_HBTP_API int64_t dx_hbtp_parse(const void *bytes, size_t size, uint32_t max_payload,
                                  dx_hbtp_frame *frame);
/* An Extended frame's payload starts with the real opcode (u16, 0x0100..0xffff): put it into
   frame->opcode and move payload behind it. Other frames, and opaque ones (COMPRESSED, ENCRYPTED),
   stay as they are. ETRUNCATED: fewer than 2 bytes; ECORRUPT: the opcode is below 0x100 (so an
   Extended inside an Extended). */
DX_HBTP_API int dx_hbtp_resolve_extended(dx_hbtp_frame *frame);
/* Parse up to `capacity` whole frames at once. Returns the bytes consumed and sets *count; 0: no
   whole frame is there; < 0: as dx_hbtp_parse(), for the first frame only (a bad frame further on
   ends the batch before it). At most the first 2^32-1 bytes are looked at. */
DX_HBTP_API int64_t dx_hbtp_parse_batch(const void *bytes, size_t size, uint32_t max_payload,
                                        dx_hbtp_descriptor *descriptors, size_t capacity,
                                        size_t *count);
/* Take the payload of an RpcError (or a Close) apart: status, text (not terminated, not checked for
   UTF-8, borrowed). A Close without payload is status 0. ETRUNCATED, ECORRUPT (reserved not 0). */
DX_HBTP_API int dx_hbtp_parse_rpc_error(const dx_hbtp_frame *frame, uint16_t *status,
                                        const char **text, size_t *text_size);

/* >>out ---------------------------------------------------------------- */
typedef struct dx_hbtp_out { /* response buffer: frames to be sent; fields are private */
    uint8_t *memory_;
    size_t   capacity_;
    size_t   begin_;    /* memory_[begin_..used_) is to be sent */
    size_t   used_;
    size_t   reserved_; /* payload bytes of the open reservation */
    size_t   prefix_;   /* bytes between its header and what the caller fills */
    bool     open_;
    bool     checksum_;
} dx_hbtp_out;

/* Borrow `size` bytes of memory until the buffer is no longer used; size 0 means DX_HBTP_OUT_SIZE.
   Nothing is allocated, ever. EINVAL. */
DX_HBTP_API int            dx_hbtp_out_init(dx_hbtp_out *out, void *memory, size_t size);
/* Forget the content and an open reservation; the memory stays. */
DX_HBTP_API void           dx_hbtp_out_reset(dx_hbtp_out *out);
/* Give every frame written from now on a checksum (or no longer). */
DX_HBTP_API void           dx_hbtp_out_set_checksum(dx_hbtp_out *out, bool on);
/* The bytes to be sent; valid until the next consume of all of them, reset or compact. Writers only
   append, so these bytes may be in the hands of the kernel while more frames are written. */
DX_HBTP_API const uint8_t *dx_hbtp_out_data(const dx_hbtp_out *out, size_t *size);
/* `size` bytes from the front have been sent. When all are, the buffer starts again at its front.
   EINVAL: more than there are. */
DX_HBTP_API int            dx_hbtp_out_consume(dx_hbtp_out *out, size_t size);
/* Move what is left to the front; only while nobody reads dx_hbtp_out_data(). EAGAIN: open
   reservation. */
DX_HBTP_API int            dx_hbtp_out_compact(dx_hbtp_out *out);
/* Bytes that fit behind what is there, header and checksum included; 0 with an open reservation. */
DX_HBTP_API size_t         dx_hbtp_out_room(const dx_hbtp_out *out);

/* Every writer appends one whole frame or nothing: ENOSPACE (no room), EAGAIN (a reservation is
   open), ETOOBIG (payload above 2^32-1), EINVAL. Payloads are copied before it returns.
   opcode: 0..0xff as it is; from 0x100 on it is written as an Extended frame. All flag bits are
   written as given, HAS_CHECKSUM appends the checksum. */
DX_HBTP_API int dx_hbtp_write_frame(dx_hbtp_out *out, uint16_t opcode, uint8_t flags,
                                    uint16_t sequence, const void *payload, size_t size);
DX_HBTP_API int dx_hbtp_write_ping(dx_hbtp_out *out, uint16_t sequence, const void *payload,
                                   size_t size);
/* Without payload: 8 bytes. */
DX_HBTP_API int dx_hbtp_write_pong(dx_hbtp_out *out, uint16_t sequence, const void *payload,
                                   size_t size);
DX_HBTP_API int dx_hbtp_write_rpc_call(dx_hbtp_out *out, uint16_t sequence, uint8_t method,
                                       const void *arguments, size_t size);
DX_HBTP_API int dx_hbtp_write_rpc_response(dx_hbtp_out *out, uint16_t sequence,
                                           const void *result, size_t size);
/* text: UTF-8, zero-terminated; NULL means dx_hbtp_status_text(status). */
DX_HBTP_API int dx_hbtp_write_rpc_error(dx_hbtp_out *out, uint16_t sequence, uint16_t status,
                                        const char *text);
/* compressed: the payload already is a zstd frame. */
DX_HBTP_API int dx_hbtp_write_state_sync(dx_hbtp_out *out, uint16_t sequence, bool compressed,
                                         const void *payload, size_t size);
/* FINAL is set. status 0 writes no payload and no text; text as in write_rpc_error. */
DX_HBTP_API int dx_hbtp_write_close(dx_hbtp_out *out, uint16_t status, const char *text);

/* Reserve: *payload points to `size` bytes inside the buffer that the caller fills (a file can be
   read straight into them), then dx_hbtp_commit() with the number really used, 0..size, or
   dx_hbtp_abandon(). Until then the other writers return EAGAIN and a session waits. */
DX_HBTP_API int  dx_hbtp_begin(dx_hbtp_out *out, uint16_t opcode, uint8_t flags,
                               uint16_t sequence, size_t size, uint8_t **payload);
DX_HBTP_API int  dx_hbtp_commit(dx_hbtp_out *out, size_t size);
DX_HBTP_API void dx_hbtp_abandon(dx_hbtp_out *out);

/* >>file chunk --------------------------------------------------------- */
typedef struct dx_hbtp_file_chunk { /* payload of a FileChunk frame */
    uint32_t       transfer;        /* which transfer of this connection: chosen by its sender */
    uint64_t       offset;          /* of the first byte in the object */
    const uint8_t *data;            /* borrowed from the frame */
    uint32_t       data_size;       /* may be 0, for an empty object */
    bool           final;           /* the object ends after this chunk (flag FINAL) */
} dx_hbtp_file_chunk;

/* Decode and check. ETRUNCATED: under 16 bytes; ECORRUPT: wrong CRC-32C of the data, or
   offset + size above 2^64-1; EINVAL: not a FileChunk, or an opaque one. */
DX_HBTP_API int dx_hbtp_parse_file_chunk(const dx_hbtp_frame *frame, dx_hbtp_file_chunk *chunk);
/* `sequence`: that of the request which the transfer answers, or 0. */
DX_HBTP_API int dx_hbtp_write_file_chunk(dx_hbtp_out *out, uint16_t sequence,
                                         const dx_hbtp_file_chunk *chunk);
/* The same in place: *data points to `size` bytes to fill. The largest `size` that fits is
   dx_hbtp_out_room() - DX_HBTP_FILE_CHUNK_OVERHEAD. */
DX_HBTP_API int dx_hbtp_begin_file_chunk(dx_hbtp_out *out, uint16_t sequence, uint32_t transfer,
                                         uint64_t offset, size_t size, uint8_t **data);
DX_HBTP_API int dx_hbtp_commit_file_chunk(dx_hbtp_out *out, size_t size, bool final);

/* >>router ------------------------------------------------------------- */
typedef struct dx_hbtp_session dx_hbtp_session;

typedef struct dx_hbtp_context { /* what a handler gets; all of it valid until it returns */
    dx_hbtp_session     *session;
    dx_hbtp_out         *out;      /* for the answer */
    const dx_hbtp_frame *frame;
    const uint8_t       *payload;  /* RPC methods: the arguments behind the method byte */
    size_t               payload_size;
    uint64_t             now_ns;   /* as given to dx_hbtp_feed() */
    void                *user;     /* as given with the route */
} dx_hbtp_context;

enum { DX_HBTP_LATER = 1 }; /* a handler's result: dx_hbtp_reply() will answer, perhaps much later */

/* A handler returns
     0              done: it has written its answer to context->out, or needs none
     DX_HBTP_LATER  it will call dx_hbtp_reply() or dx_hbtp_reply_error() with frame->sequence
     400..599       what it wrote is dropped, the peer gets an RpcError with this status
     ENOSPACE       what it wrote is dropped; it is called again with the same frame when there is
                    more room (so: no side effect before the writer succeeded). When even the empty
                    buffer was too small, the peer gets status 500.
     EAGAIN         as ENOSPACE, but for a reason of its own: it is called again in the next feed
     other errors   what it wrote is dropped, RpcError with dx_hbtp_status_of_error() */
typedef int dx_hbtp_handler_fn(const dx_hbtp_context *context);

typedef struct dx_hbtp_route {
    dx_hbtp_handler_fn *fn; /* never NULL in an initialised router */
    void               *user;
} dx_hbtp_route;

typedef struct dx_hbtp_router { /* shared by any number of sessions; private */
    dx_hbtp_route opcodes_[256];
    dx_hbtp_route methods_[256];
} dx_hbtp_router;

/* Fill with the default handlers: Ping is answered by Pong, RpcCall goes to the method table, other
   opcodes of the format get status 404, opcodes that do not exist are counted and ignored. */
DX_HBTP_API int dx_hbtp_router_init(dx_hbtp_router *router);
/* Register or replace. Slot 0xff gets every extended opcode. EINVAL: fn NULL; Pong, Close,
   RpcResponse and RpcError, which the session itself needs. O(1). */
DX_HBTP_API int dx_hbtp_router_set(dx_hbtp_router *router, uint8_t opcode,
                                   dx_hbtp_handler_fn *fn, void *user);
DX_HBTP_API int dx_hbtp_router_set_method(dx_hbtp_router *router, uint8_t method,
                                          dx_hbtp_handler_fn *fn, void *user);
/* Back to the default handler. ENOTFOUND: nothing was registered. */
DX_HBTP_API int dx_hbtp_router_remove(dx_hbtp_router *router, uint8_t opcode);
DX_HBTP_API int dx_hbtp_router_remove_method(dx_hbtp_router *router, uint8_t method);

/* >>session ------------------------------------------------------------ */
typedef enum dx_hbtp_state {
    DX_HBTP_WANTS_INPUT,  /* everything that could be dispatched was: receive more */
    DX_HBTP_WANTS_OUTPUT, /* the response buffer is too full: send it, then feed again */
    DX_HBTP_WANTS_TURN,   /* max_frames were dispatched, or a handler said EAGAIN: feed again */
    DX_HBTP_CLOSED        /* send what is in the response buffer, then close the connection */
} dx_hbtp_state;

typedef enum dx_hbtp_event {
    DX_HBTP_EVENT_UNKNOWN_OPCODE = 1, /* ignored */
    DX_HBTP_EVENT_NO_ROUTE,           /* no handler: status 404 was sent */
    DX_HBTP_EVENT_REFUSED,            /* a codec is missing (415) or too much is unanswered (429) */
    DX_HBTP_EVENT_FAILED,             /* a handler failed or a payload was bad: RpcError was sent */
    DX_HBTP_EVENT_LATE,               /* an answer to a request that had expired or was cancelled */
    DX_HBTP_EVENT_DUPLICATE,          /* a second answer */
    DX_HBTP_EVENT_UNASKED,            /* an answer to no request that is remembered */
    DX_HBTP_EVENT_CLOSED              /* the session closed; dx_hbtp_session_error() says why */
} dx_hbtp_event;

typedef struct dx_hbtp_result {   /* how a request of ours ended; valid during the callback */
    int                  error;   /* OK, EREMOTE, ETIMEDOUT, ECANCELED; ENOTSUP, ETRUNCATED,
                                     ECORRUPT: an answer came but cannot be read */
    uint16_t             sequence;
    uint16_t             status;  /* EREMOTE: as sent by the peer */
    const dx_hbtp_frame *frame;   /* the answer, or NULL */
    const uint8_t       *payload; /* OK: the result, EREMOTE: the text; otherwise NULL */
    size_t               payload_size;
    void                *user;    /* as given with the request */
} dx_hbtp_result;

typedef void dx_hbtp_result_fn(dx_hbtp_session *session, const dx_hbtp_result *result);
/* frame is NULL for DX_HBTP_EVENT_CLOSED. */
typedef void dx_hbtp_event_fn(dx_hbtp_session *session, dx_hbtp_event event,
                              const dx_hbtp_frame *frame);

typedef struct dx_hbtp_session_desc { /* zero = the default written behind each field */
    void                 *memory;          /* dx_hbtp_session_memory_size() bytes, aligned to 8;
                                              borrowed until the session is no longer used */
    size_t                memory_size;
    dx_hbtp_out          *out;             /* required, at least DX_HBTP_REPLY_ROOM bytes; borrowed */
    const dx_hbtp_router *router;          /* borrowed; NULL: the default handlers only */
    dx_hbtp_result_fn    *on_result;       /* NULL: results are dropped */
    dx_hbtp_event_fn     *on_event;        /* NULL: events are counted only */
    void                 *user;            /* dx_hbtp_session_user() */
    uint32_t              max_payload;     /* bytes; DX_HBTP_MAX_PAYLOAD. Longer: 413 and close */
    uint32_t              max_outstanding; /* own requests that wait; 64 */
    uint32_t              max_pending;     /* the peer's requests that wait for dx_hbtp_reply(); 64.
                                              Beyond: status 429 without a call */
    uint32_t              max_frames;      /* dispatched by one feed; 1024 */
    uint64_t              keepalive_ns;    /* silence after which tick sends a Ping; after as much
                                              silence again the session closes; 0: never */
    bool                  in_place;        /* true: no buffer for frames that arrive in pieces:
                                              feed leaves them unconsumed, you append to them in
                                              your own buffer (see dx_hbtp_session_need()) */
    bool                  reject_unknown_flags; /* false: bits 20, 40, 80 are handed on unread */
    bool                  require_checksum;     /* true: a frame without a checksum closes */
} dx_hbtp_session_desc;

typedef struct dx_hbtp_counters {
    uint64_t frames, bytes;        /* dispatched */
    uint64_t unknown, no_route, refused, failed, late, duplicate, unasked; /* as the events */
} dx_hbtp_counters;

struct dx_hbtp_session { /* caller-allocated; fields are private */
    dx_hbtp_out            *out_;
    const dx_hbtp_router   *router_;
    dx_hbtp_result_fn      *on_result_;
    dx_hbtp_event_fn       *on_event_;
    void                   *user_;
    struct dx_hbtp_p_slot  *slots_;
    uint8_t                *buffer_;        /* collects one frame; NULL: in_place */
    uint64_t                held_;          /* bytes in it */
    uint64_t                need_;
    uint64_t                now_ns_;
    uint64_t                next_deadline_ns_;
    uint64_t                heard_ns_;
    uint64_t                pinged_ns_;
    uint64_t                keepalive_ns_;
    dx_hbtp_counters        counters_;
    uint32_t                max_payload_, max_outstanding_, max_pending_, max_frames_;
    uint32_t                slot_count_, waiting_, pending_;
    int                     error_;
    uint16_t                sequence_;      /* the last one given out */
    uint8_t                 state_;
    bool                    reject_unknown_flags_, require_checksum_, pinged_, clocked_, feeding_;
};

/* Bytes that dx_hbtp_session_init() needs: about max_payload + 24 * max_outstanding, without the
   payload for in_place. 0: the description cannot be served (a limit too large for this machine). */
DX_HBTP_API size_t dx_hbtp_session_memory_size(const dx_hbtp_session_desc *desc);
/* EINVAL, ENOMEM (memory_size too small). */
DX_HBTP_API int    dx_hbtp_session_init(dx_hbtp_session *s, const dx_hbtp_session_desc *desc);
/* Hand in received bytes; handlers and on_result run inside. Returns the bytes consumed, 0..size
   (fewer: see dx_hbtp_session_state()), or an error after which the session is closed: ETOOBIG,
   EHEADER, ECORRUPT (the reply and a Close are in the response buffer: send them). On a closed
   session: its error, ECANCELED after an orderly close. now_ns: any clock that does not go back. */
DX_HBTP_API int64_t dx_hbtp_feed(dx_hbtp_session *s, const void *bytes, size_t size,
                                 uint64_t now_ns);
/* Let time pass: ends requests whose deadline has come (ETIMEDOUT), sends the keepalive Ping, closes
   after too long a silence. Returns when to be called next at the latest; UINT64_MAX: no need. */
DX_HBTP_API uint64_t dx_hbtp_tick(dx_hbtp_session *s, uint64_t now_ns);

/* Send a request and remember it until it is answered or deadline_ns comes (UINT64_MAX: never).
   *sequence (may be NULL) gets its number, 1..65535. on_result hears of it exactly once.
   EAGAIN: max_outstanding wait already, or a reservation is open; ECANCELED: closed; as writers. */
DX_HBTP_API int dx_hbtp_call(dx_hbtp_session *s, uint8_t method, const void *arguments,
                             size_t size, uint64_t deadline_ns, void *user, uint16_t *sequence);
/* The same for any opcode (EXPECTS_RESPONSE is added). A Ping is answered by a Pong, all others by
   an RpcResponse or RpcError. */
DX_HBTP_API int dx_hbtp_request(dx_hbtp_session *s, uint16_t opcode, uint8_t flags,
                                const void *payload, size_t size, uint64_t deadline_ns,
                                void *user, uint16_t *sequence);
/* No longer wait: the request ends now with ECANCELED; the peer is not told. ENOTFOUND. */
DX_HBTP_API int dx_hbtp_cancel(dx_hbtp_session *s, uint16_t sequence);

/* Answer a request whose handler returned DX_HBTP_LATER, each exactly once. As the writers;
   ECANCELED: the session is closed; ENOTFOUND: no request is pending. */
DX_HBTP_API int dx_hbtp_reply(dx_hbtp_session *s, uint16_t sequence, const void *result,
                              size_t size);
DX_HBTP_API int dx_hbtp_reply_error(dx_hbtp_session *s, uint16_t sequence, uint16_t status,
                                    const char *text);

/* Orderly end: writes a Close, then as dx_hbtp_abort(). ENOSPACE, EAGAIN: still open. */
DX_HBTP_API int  dx_hbtp_close(dx_hbtp_session *s, uint16_t status, const char *text);
/* The connection is gone: all waiting requests end with ECANCELED, nothing is written. */
DX_HBTP_API void dx_hbtp_abort(dx_hbtp_session *s);

DX_HBTP_API dx_hbtp_state           dx_hbtp_session_state(const dx_hbtp_session *s);
/* Why the session is closed: OK (orderly, or still open), ETOOBIG, EHEADER, ECORRUPT, ETIMEDOUT. */
DX_HBTP_API int                     dx_hbtp_session_error(const dx_hbtp_session *s);
DX_HBTP_API void                   *dx_hbtp_session_user(const dx_hbtp_session *s);
DX_HBTP_API dx_hbtp_out            *dx_hbtp_session_out(const dx_hbtp_session *s);
/* Another response buffer from now on (one can serve all sessions of a thread in turn). EINVAL. */
DX_HBTP_API int                     dx_hbtp_session_set_out(dx_hbtp_session *s, dx_hbtp_out *out);
DX_HBTP_API const dx_hbtp_counters *dx_hbtp_session_counters(const dx_hbtp_session *s);
/* Own requests that wait for an answer. */
DX_HBTP_API uint32_t                dx_hbtp_session_waiting(const dx_hbtp_session *s);
/* Size of the frame that the session waits for, as far as known; at least 8. For in_place: your
   buffer must be able to hold this many bytes from the first unconsumed one on. */
DX_HBTP_API uint64_t                dx_hbtp_session_need(const dx_hbtp_session *s);

/* >>chunk stream ------------------------------------------------------- */
typedef enum dx_hbtp_chunk_type {
    DX_HBTP_CHUNK_HEADER = 0x01,
    DX_HBTP_CHUNK_LAYOUT = 0x02,
    DX_HBTP_CHUNK_STATE  = 0x03,
    DX_HBTP_CHUNK_WASM   = 0x04,
    DX_HBTP_CHUNK_PATCH  = 0x05,
    DX_HBTP_CHUNK_EOF    = 0xff
} dx_hbtp_chunk_type;

typedef enum dx_hbtp_stream_code { /* numbers that programs around the chunk stream exchange */
    DX_HBTP_STREAM_OK              = 0,
    DX_HBTP_STREAM_BAD_HEADER      = 1,
    DX_HBTP_STREAM_BAD_TYPE        = 2,
    DX_HBTP_STREAM_BAD_HEADER_SIZE = 3,
    DX_HBTP_STREAM_NO_PATCH        = 4,
    DX_HBTP_STREAM_NOT_INITIALISED = 10,
    DX_HBTP_STREAM_INCOMPLETE      = 11,
    DX_HBTP_STREAM_NO_LAYOUT       = 12
} dx_hbtp_stream_code;

enum {
    DX_HBTP_CHUNK_HEAD_SIZE = 5,  /* type u8, length u32 */
    DX_HBTP_STREAM_HEADER_SIZE = 64,
    DX_HBTP_STREAM_VERSION = 1
};

typedef struct dx_hbtp_stream_header { /* body of the Header chunk */
    uint64_t total_size;               /* bytes of the whole stream, Header to Eof; 0: not known */
    uint8_t  target_hash[32];          /* of what the stream brings; which hash is up to the program */
} dx_hbtp_stream_header;

typedef struct dx_hbtp_chunk { /* a chunk or, in partial mode, a piece of one */
    const uint8_t *data;       /* in the input where possible, else in the reader's memory; valid
                                  until the next call, never NULL */
    size_t         size;
    uint32_t       offset;     /* of this piece in the chunk: 0 where chunks are whole */
    uint32_t       total_size; /* of the whole chunk */
    uint8_t        type;
    bool           last;       /* the chunk is complete with this piece */
} dx_hbtp_chunk;

/* Anything but 0 stops dx_hbtp_chunk_feed(), which returns it (make it negative). */
typedef int dx_hbtp_chunk_fn(void *user, const dx_hbtp_chunk *chunk);

typedef struct dx_hbtp_chunk_reader_desc {
    void             *memory;      /* required, at least 64 bytes; borrowed */
    size_t            memory_size;
    uint32_t          max_chunk;   /* longer chunks: ETOOBIG, before a byte is stored.
                                      0: memory_size, in partial mode 2^32-1 */
    bool              partial;     /* hand out pieces as they come (but a Header always whole):
                                      64 bytes of memory serve chunks of any size */
    dx_hbtp_chunk_fn *on_chunk;    /* for dx_hbtp_chunk_feed(); NULL: chunks are only counted */
    void             *user;
} dx_hbtp_chunk_reader_desc;

typedef struct dx_hbtp_chunk_reader { /* caller-allocated; fields are private */
    uint8_t          *memory_;
    dx_hbtp_chunk_fn *on_chunk_;
    void             *user_;
    uint64_t          leftover_;
    uint32_t          max_chunk_;
    uint32_t          length_;    /* of the chunk being read */
    uint32_t          done_;      /* bytes of its body that were taken */
    int               error_;
    uint8_t           head_[5];
    uint8_t           head_size_;
    bool              partial_, finished_;
} dx_hbtp_chunk_reader;

/* EINVAL: no memory, under 64 bytes, or (not partial) max_chunk above memory_size. */
DX_HBTP_API int dx_hbtp_chunk_reader_init(dx_hbtp_chunk_reader *r,
                                          const dx_hbtp_chunk_reader_desc *desc);
/* Poll: take the next chunk (piece) from *bytes and move *bytes and *size on. 1: *chunk is there;
   0: more input is needed, or the stream is finished (Eof is not a chunk; what follows it is left
   in *bytes); < 0: ECHUNKTYPE, ECHUNKHEAD, ETOOBIG; EINVAL: not initialised. Errors stay. */
DX_HBTP_API int dx_hbtp_chunk_next(dx_hbtp_chunk_reader *r, const uint8_t **bytes, size_t *size,
                                   dx_hbtp_chunk *chunk);
/* Push: on_chunk gets every chunk, in order. Returns how many were completed (Eof not counted), or
   an error, on_chunk's included. Bytes after Eof are not looked at but counted as leftover. */
DX_HBTP_API int64_t  dx_hbtp_chunk_feed(dx_hbtp_chunk_reader *r, const void *bytes, size_t size);
DX_HBTP_API bool     dx_hbtp_chunk_is_finished(const dx_hbtp_chunk_reader *r);
DX_HBTP_API uint64_t dx_hbtp_chunk_leftover(const dx_hbtp_chunk_reader *r);
/* The input has ended: OK after Eof, ETRUNCATED before it, or the error that stopped the reader. */
DX_HBTP_API int      dx_hbtp_chunk_finish(const dx_hbtp_chunk_reader *r);
/* The code that an error of this section stands for (dx_hbtp_stream_code); 0 for OK. */
DX_HBTP_API int      dx_hbtp_stream_code_of_error(int error);

/* The 64 bytes of a Header chunk. Decoding: ETRUNCATED (size is not 64), ECORRUPT (magic, reserved
   bytes), EVERSION. */
DX_HBTP_API void dx_hbtp_stream_header_encode(uint8_t bytes[64], const dx_hbtp_stream_header *h);
DX_HBTP_API int  dx_hbtp_stream_header_decode(const void *bytes, size_t size,
                                              dx_hbtp_stream_header *h);

typedef struct dx_hbtp_dispatcher { /* routes one stream; set the handlers, zero the rest */
    dx_hbtp_chunk_fn     *on_header, *on_layout, *on_state, *on_wasm; /* NULL: skipped */
    dx_hbtp_chunk_fn     *on_patch;                                   /* NULL: ENOPATCH */
    void                 *user;
    dx_hbtp_stream_header header;    /* once the Header chunk was there */
    uint64_t              size_;     /* bytes of the stream so far */
    uint8_t               seen_;     /* bit n: chunk type n */
} dx_hbtp_dispatcher;

/* A dx_hbtp_chunk_fn: on_chunk = dx_hbtp_dispatch with user = the dispatcher. Header first and
   decoded; Layout, State, Wasm in this order; each at most once; Patch anywhere behind the Header.
   EORDER, EDUPLICATE, ENOPATCH, errors of the Header and of the handlers. */
DX_HBTP_API int  dx_hbtp_dispatch(void *dispatcher, const dx_hbtp_chunk *chunk);
/* Layout and Wasm were there, whole. */
DX_HBTP_API bool dx_hbtp_dispatch_is_complete(const dx_hbtp_dispatcher *d);
/* After Eof: OK when complete; ENOLAYOUT; ETRUNCATED (no Wasm); ECORRUPT (the Header announced
   another total size). */
DX_HBTP_API int  dx_hbtp_dispatch_finish(const dx_hbtp_dispatcher *d);

/* Producer: append a whole chunk, or only its five bytes where the body is sent from elsewhere.
   As the writers of frames: all or nothing. EINVAL: not a chunk type, Header not 64 bytes, Eof with
   a body. */
DX_HBTP_API int dx_hbtp_write_chunk(dx_hbtp_out *out, uint8_t type, const void *data, size_t size);
DX_HBTP_API int dx_hbtp_write_chunk_head(dx_hbtp_out *out, uint8_t type, uint32_t size);

typedef struct dx_hbtp_stream_parts { /* what a server sends */
    uint8_t     target_hash[32];
    const void *layout, *state, *wasm;
    uint32_t    layout_size, state_size, wasm_size;
} dx_hbtp_stream_parts;

/* Bytes of Header, Layout, State, Wasm and Eof with these bodies: 69 + three times 5 + bodies + 5. */
DX_HBTP_API uint64_t dx_hbtp_stream_size(const dx_hbtp_stream_parts *parts);
/* Append the five chunks, all or nothing. */
DX_HBTP_API int      dx_hbtp_write_stream(dx_hbtp_out *out, const dx_hbtp_stream_parts *parts);

#ifdef __cplusplus
}
#endif
#endif /* DX_HBTP_H */
