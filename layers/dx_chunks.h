/*  dx_chunks.h - v0.3.0 - one-way streams of typed chunks: layout, state, code, patches
                - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_CHUNKS_IMPLEMENTATION      (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_chunks.h"

    and include it elsewhere without the define. C99; also builds as C++11. It needs no other header
    and does no input or output: a page loads such a stream over HTTP, a program from a file.

    QUICK EXAMPLE

        uint8_t bytes[256];                                     // make a stream ...
        dx_chunks_buffer stream = {bytes, 0, sizeof bytes};
        dx_chunks_parts parts;
        memset(&parts, 0, sizeof parts);
        parts.layout = "<p>";
        parts.layout_size = 3;
        parts.wasm = "code";
        parts.wasm_size = 4;
        if (dx_chunks_write_stream(&stream, &parts)) return 1;

        uint8_t memory[64];                                     // ... and read it, split anywhere
        dx_chunks_reader reader;
        dx_chunks_reader_desc desc;
        memset(&desc, 0, sizeof desc);
        dx_chunks_dispatcher dispatcher;
        memset(&dispatcher, 0, sizeof dispatcher);// set dispatcher.on[type] for yours
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.on_chunk = dx_chunks_dispatch;
        desc.user = &dispatcher;
        if (dx_chunks_reader_init(&reader, &desc)) return 1;
        if (dx_chunks_feed(&reader, stream.memory, stream.size) != 4) return 1;
        if (dx_chunks_finish(&reader) || dx_chunks_finish_dispatch(&dispatcher)) return 1;
        printf("%u bytes, complete\n", (unsigned)dispatcher.header.total_size);

    CONTENTS (search >>)  config  errors  chunks  reader  header  dispatcher  writer  platform
                          shared  names  rules  reading  headers  dispatching  writing  license

    GUARANTEES  The result does not depend on how the input is split. A body is passed on only when
                it is complete, in place if it is contiguous in the input. A length is checked
                before a byte of the body is stored. A writer writes all or nothing. Never
                allocates; no globals; no recursion.
    LIMITS      A body up to the reader's memory, at most 2^32-1 bytes.
    SIZE        code: x86-64 3,009, Cortex-M0 1,946; objects: dx_chunks_reader 80,
                dx_chunks_dispatcher 112
    THREADS     One at a time for each object; objects share nothing.
    CONFIG      DX_CHUNKS_STATIC, DX_CHUNKS_API, DX_CHUNKS_ASSERT(c), DX_CHUNKS_MEMCPY,
                DX_CHUNKS_MEMSET, DX_CHUNKS_MEMCMP
    ERRORS      dx_chunks_error: 0 = ok, negative = reason. dx_chunks_code: codes that programs at
                both ends of a stream exchange.
    OWNERSHIP   The caller owns every byte. A chunk is valid until the next call of its reader.
    FORMAT      docs/formats/chunks.md, normative
*/
#ifndef DX_CHUNKS_H
#define DX_CHUNKS_H

#define DX_CHUNKS_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_CHUNKS_API
  #ifdef DX_CHUNKS_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_CHUNKS_API static __attribute__((unused))
    #else
      #define DX_CHUNKS_API static
    #endif
  #else
    #define DX_CHUNKS_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
/* value, constant, its dx_chunks_code on the wire. */
#define DX_CHUNKS_ERRORS(X)                                                                        \
    X(0, OK, OK)                                                                                   \
    X(-1, EINVAL, NOT_INITIALISED) /* an argument breaks its documented contract */                \
    X(-2, ENOMEM, BAD_HEADER)      /* for an on_chunk that finds no memory */                      \
    X(-3, ENOSPACE, BAD_HEADER)    /* no room in the buffer; nothing was written */                \
    X(-4, ETOOBIG, BAD_HEADER)     /* a body above the reader's limit */                           \
    X(-5, ECORRUPT, BAD_HEADER)    /* magic or reserved bytes of the Header; a wrong total size */ \
    X(-10, ECANCELED, BAD_HEADER)  /* on_chunk stopped the reader */                               \
    X(-11, ETRUNCATED, INCOMPLETE) /* the input ended before Eof, or without Wasm */               \
    X(-12, EVERSION, BAD_HEADER)   /* a format version that this build does not know */            \
    X(-35, ECHUNKTYPE, BAD_TYPE)   /* a type that does not exist */                                \
    X(-36, ECHUNKHEAD, BAD_SIZE)   /* Header body not 64 bytes, or Eof with a body */              \
    X(-37, EDUPLICATE, BAD_TYPE)   /* Header, Layout, State or Wasm for the second time */         \
    X(-38, EORDER, BAD_HEADER)     /* not in the order Header, Layout, State, Wasm */              \
    X(-39, ENOPATCH, NO_PATCH)     /* a Patch chunk, but no handler for it */                      \
    X(-40, ENOLAYOUT, NO_LAYOUT)   /* ended without a Layout */

typedef enum dx_chunks_error {
#define DX_CHUNKS_P_ERROR_IS(value, constant, code) DX_CHUNKS_##constant = value,
    DX_CHUNKS_ERRORS(DX_CHUNKS_P_ERROR_IS)
} dx_chunks_error;

typedef enum dx_chunks_code { /* codes that programs at both ends of a stream exchange */
    DX_CHUNKS_CODE_OK              = 0,
    DX_CHUNKS_CODE_BAD_HEADER      = 1,
    DX_CHUNKS_CODE_BAD_TYPE        = 2,
    DX_CHUNKS_CODE_BAD_SIZE        = 3, /* of a Header or an Eof */
    DX_CHUNKS_CODE_NO_PATCH        = 4,
    DX_CHUNKS_CODE_NOT_INITIALISED = 10,
    DX_CHUNKS_CODE_INCOMPLETE      = 11,
    DX_CHUNKS_CODE_NO_LAYOUT       = 12
} dx_chunks_code;

/* "DX_CHUNKS_EORDER" and so on; "unknown error" for anything else. */
DX_CHUNKS_API const char *dx_chunks_error_name(int error);
/* The dx_chunks_code of an error: BAD_HEADER for the caller's own errors. */
DX_CHUNKS_API int         dx_chunks_code_of_error(int error);

/* >>chunks ------------------------------------------------------------- */
typedef enum dx_chunks_type {
    DX_CHUNKS_HEADER = 0x01,
    DX_CHUNKS_LAYOUT = 0x02,
    DX_CHUNKS_STATE  = 0x03,
    DX_CHUNKS_WASM   = 0x04,
    DX_CHUNKS_PATCH  = 0x05,
    DX_CHUNKS_EOF    = 0xff
} dx_chunks_type;

enum {
    DX_CHUNKS_HEAD_SIZE   = 5,  /* of every chunk: type u8, length u32 */
    DX_CHUNKS_HEADER_SIZE = 64, /* body of the first chunk */
    DX_CHUNKS_FORMAT      = 1   /* the format version in it */
};

typedef struct dx_chunks_chunk {
    const uint8_t *data; /* in the input if it is contiguous there, else in the reader's memory;
                            valid until the next call, never NULL */
    size_t         size;
    uint8_t        type; /* dx_chunks_type, never Eof */
} dx_chunks_chunk;

/* A negative result stops dx_chunks_feed(), which returns it; a positive one stops it as ECANCELED.
   */
typedef int dx_chunks_fn(void *user, const dx_chunks_chunk *chunk);

/* >>reader ------------------------------------------------------------- */
typedef struct dx_chunks_reader_desc {
    void         *memory;         /* required, at least 64 bytes; borrowed */
    size_t        memory_size;
    uint32_t      chunk_size_max; /* a longer body is refused with ETOOBIG; 0: memory_size */
    dx_chunks_fn *on_chunk;       /* for dx_chunks_feed(); NULL: chunks are only counted */
    void         *user;
} dx_chunks_reader_desc;

typedef struct dx_chunks_reader {   /* caller-allocated; fields without "_" may be read */
    bool                  finished; /* Eof was received */
    uint64_t              leftover; /* bytes after it passed to dx_chunks_feed() */
    dx_chunks_reader_desc desc_;
    uint32_t              length_;  /* body of the current chunk */
    uint32_t              done_;    /* bytes of it received */
    int                   error_;   /* the first one; sticky */
    uint8_t               head_[5];
    uint8_t               head_size_;
} dx_chunks_reader;

/* EINVAL: no memory, under 64 bytes, or chunk_size_max above memory_size. */
DX_CHUNKS_API int     dx_chunks_reader_init(dx_chunks_reader *r, const dx_chunks_reader_desc *desc);
/* Pull: take the next chunk from *bytes and advance *bytes and *size. 1: *chunk is set; 0: more
   input is needed, or the stream is finished (Eof is not a chunk; bytes after it stay in *bytes); <
   0: ECHUNKTYPE, ECHUNKHEAD, ETOOBIG; EINVAL: not initialised. Errors are sticky. */
DX_CHUNKS_API int     dx_chunks_next(dx_chunks_reader *r, const uint8_t **bytes, size_t *size,
                                     dx_chunks_chunk *chunk);
/* Push: on_chunk gets every chunk, in order. Returns the number of completed ones (without Eof), or
   an error, including on_chunk's. Bytes after Eof are ignored, but counted as leftover. */
DX_CHUNKS_API int64_t dx_chunks_feed(dx_chunks_reader *r, const void *bytes, size_t size);
/* The input has ended: OK after Eof, ETRUNCATED before it, or the error that stopped the reader. */
DX_CHUNKS_API int     dx_chunks_finish(const dx_chunks_reader *r);

/* >>header ------------------------------------------------------------- */
typedef struct dx_chunks_header { /* body of the Header chunk */
    uint64_t total_size;          /* bytes of the whole stream, Header to Eof; 0: unknown */
    uint8_t  target_hash[32];     /* of the stream's content; you choose the hash */
} dx_chunks_header;

/* Header chunks have 64 bytes. Decoding: ETRUNCATED (size), ECORRUPT (magic, reserved), EVERSION.
   */
DX_CHUNKS_API void dx_chunks_encode_header(uint8_t bytes[64], const dx_chunks_header *header);
DX_CHUNKS_API int  dx_chunks_decode_header(const void *bytes, size_t size,
                                           dx_chunks_header *header);

/* >>dispatcher --------------------------------------------------------- */
typedef struct dx_chunks_dispatcher { /* routes one stream; set the handlers, zero the rest */
    dx_chunks_fn    *on[6];  /* by dx_chunks_type; NULL: skip, but ENOPATCH for a Patch */
    void            *user;
    dx_chunks_header header; /* valid after the Header chunk */
    uint64_t         size_;  /* bytes of the stream received */
    uint8_t          seen_;  /* bit n: a chunk of type n was received */
} dx_chunks_dispatcher;

/* A dx_chunks_fn: on_chunk = dx_chunks_dispatch with user = the dispatcher. The Header comes first
   and is decoded; Layout, State, Wasm in this order; each at most once; Patch anywhere after the
   Header. EORDER, EDUPLICATE, ENOPATCH, errors of the Header and of the handlers. */
DX_CHUNKS_API int  dx_chunks_dispatch(void *dispatcher, const dx_chunks_chunk *chunk);
/* Layout and Wasm were received. */
DX_CHUNKS_API bool dx_chunks_is_complete(const dx_chunks_dispatcher *d);
/* After Eof: OK when complete; ENOLAYOUT; ETRUNCATED (no Wasm); ECORRUPT (not the total_size). */
DX_CHUNKS_API int  dx_chunks_finish_dispatch(const dx_chunks_dispatcher *d);

/* >>writer ------------------------------------------------------------- */
typedef struct dx_chunks_buffer { /* output memory for consecutive chunks */
    uint8_t *memory;
    size_t   size; /* used */
    size_t   capacity;
} dx_chunks_buffer;

/* Append a chunk, all or nothing. ENOSPACE; ETOOBIG: 4 GiB or more; EINVAL: not a chunk type,
   Header not 64 bytes, Eof with a body. */
DX_CHUNKS_API int dx_chunks_write(dx_chunks_buffer *buffer, uint8_t type, const void *data,
                                  size_t size);

typedef struct dx_chunks_parts { /* what a server sends */
    uint8_t     target_hash[32];
    const void *layout;
    const void *state;
    const void *wasm;
    uint32_t    layout_size;
    uint32_t    state_size;
    uint32_t    wasm_size;
} dx_chunks_parts;

/* Bytes of Header, Layout, State, Wasm and Eof with these bodies: 69 + 3 * 5 + bodies + 5. */
DX_CHUNKS_API uint64_t dx_chunks_stream_size(const dx_chunks_parts *parts);
/* Append the five chunks, all or nothing. */
DX_CHUNKS_API int      dx_chunks_write_stream(dx_chunks_buffer *buffer,
                                              const dx_chunks_parts *parts);

#ifdef __cplusplus
}
#endif
#endif /* DX_CHUNKS_H */

#if (defined(DX_CHUNKS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CHUNKS_IMPLEMENTED)
#define DX_CHUNKS_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_CHUNKS_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CHUNKS_ASSERT(c) assert(c)
  #else
    #define DX_CHUNKS_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CHUNKS_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_CHUNKS_P_MEM(name) name
#endif
#ifndef DX_CHUNKS_MEMCPY
  #define DX_CHUNKS_MEMCPY DX_CHUNKS_P_MEM(memcpy)
#endif
#ifndef DX_CHUNKS_MEMSET
  #define DX_CHUNKS_MEMSET DX_CHUNKS_P_MEM(memset)
#endif
#ifndef DX_CHUNKS_MEMCMP
  #define DX_CHUNKS_MEMCMP DX_CHUNKS_P_MEM(memcmp)
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_chunks_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_chunks_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_chunks_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_chunks_p_load32(p) | (uint64_t)dx_chunks_p_load32(p + 4) << 32;
}

static void dx_chunks_p_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static void dx_chunks_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_chunks_p_store64(uint8_t *p, uint64_t v)
{
    dx_chunks_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_chunks_p_store32(p + 4, (uint32_t)(v >> 32));
}

/* >>names ---------------------------------------------------------------
   One row for each error, in DX_CHUNKS_ERRORS: its name, and the code for the other side, of which
   there are fewer. */
#define DX_CHUNKS_P_ERROR_NAME(value, constant, code) \
    case value: return "DX_CHUNKS_" #constant;
#define DX_CHUNKS_P_ERROR_CODE(value, constant, code) \
    case value: return DX_CHUNKS_CODE_##code;

DX_CHUNKS_API const char *dx_chunks_error_name(int error)
{
    switch (error) {
        DX_CHUNKS_ERRORS(DX_CHUNKS_P_ERROR_NAME)
    default: return "unknown error";
    }
}

DX_CHUNKS_API int dx_chunks_code_of_error(int error)
{
    switch (error) {
        DX_CHUNKS_ERRORS(DX_CHUNKS_P_ERROR_CODE)
    default: return DX_CHUNKS_CODE_BAD_HEADER;
    }
}

/* >>rules ---------------------------------------------------------------
   A stream is a sequence of chunks, each with a head of five bytes:

       | 01 | length = 64 | Header | 02 | length | Layout ... | ... | ff | length = 0 |
         u8       u32       magic, version, total size, hash          Eof

   Bodies are opaque here; only a Header and an Eof have a fixed length. Readers and writers use the
   same check, so that no writer produces what a reader refuses. */

/* May a chunk of this type have this many bytes? */
static int dx_chunks_p_check(uint8_t type, uint32_t length)
{
    if (type == DX_CHUNKS_EOF) return length ? DX_CHUNKS_ECHUNKHEAD : DX_CHUNKS_OK;
    if (type < DX_CHUNKS_HEADER || type > DX_CHUNKS_PATCH) return DX_CHUNKS_ECHUNKTYPE;
    if (type == DX_CHUNKS_HEADER && length != DX_CHUNKS_HEADER_SIZE) return DX_CHUNKS_ECHUNKHEAD;
    return DX_CHUNKS_OK;
}

/* Does this length fit into a head? A 64-bit parameter, because comparing a 32-bit size_t would
   cause a warning. */
static bool dx_chunks_p_fits_32(uint64_t size)
{
    return size <= UINT32_MAX;
}

/* >>reading -------------------------------------------------------------
   A reader is in one of two states, given by head_size_:

       head_size_ < 5    in a head: its bytes are collected in head_
       head_size_ = 5    in a body: done_ of length_ bytes have arrived

   A body that is contiguous in the input is passed on in place. Only a split body is copied, into
   the reader's memory. */
DX_CHUNKS_API int dx_chunks_reader_init(dx_chunks_reader *r, const dx_chunks_reader_desc *desc)
{
    if (!r || !desc || !desc->memory || desc->memory_size < DX_CHUNKS_HEADER_SIZE)
        return DX_CHUNKS_EINVAL;
    if (desc->chunk_size_max > desc->memory_size) return DX_CHUNKS_EINVAL;
    DX_CHUNKS_MEMSET(r, 0, sizeof *r);
    r->desc_ = *desc;
    if (!desc->chunk_size_max) {
        const bool fits = dx_chunks_p_fits_32(desc->memory_size);
        r->desc_.chunk_size_max = fits ? (uint32_t)desc->memory_size : UINT32_MAX;
    }
    DX_CHUNKS_ASSERT(r->desc_.chunk_size_max && r->desc_.chunk_size_max <= desc->memory_size);
    return DX_CHUNKS_OK;
}

/* The five bytes are complete: may this chunk be read? An Eof has no body to wait for. */
static void dx_chunks_p_begin_chunk(dx_chunks_reader *r)
{
    const uint8_t type = r->head_[0];
    DX_CHUNKS_ASSERT(r->head_size_ == DX_CHUNKS_HEAD_SIZE && !r->error_ && !r->finished);
    r->length_ = dx_chunks_p_load32(r->head_ + 1);
    r->done_ = 0;
    r->error_ = dx_chunks_p_check(type, r->length_);
    if (r->error_) return;
    /* A Header always fits: the memory has at least its 64 bytes, whatever the limit. */
    if (type != DX_CHUNKS_HEADER && r->length_ > r->desc_.chunk_size_max)
        r->error_ = DX_CHUNKS_ETOOBIG;
    if (type == DX_CHUNKS_EOF) r->finished = true;
}

/* Take bytes of the head. True once it is complete. */
static bool dx_chunks_p_read_head(dx_chunks_reader *r, const uint8_t **bytes, size_t *size)
{
    while (r->head_size_ < DX_CHUNKS_HEAD_SIZE && *size) {
        r->head_[r->head_size_++] = *(*bytes)++;
        (*size)--;
        DX_CHUNKS_ASSERT(r->head_size_ <= DX_CHUNKS_HEAD_SIZE);
        if (r->head_size_ == DX_CHUNKS_HEAD_SIZE) dx_chunks_p_begin_chunk(r);
    }
    return r->head_size_ == DX_CHUNKS_HEAD_SIZE;
}

/* Take bytes of the body. True once it is complete, at *data. */
static bool dx_chunks_p_read_body(dx_chunks_reader *r, const uint8_t **bytes, size_t *size,
                                  const uint8_t **data)
{
    uint8_t *const memory = (uint8_t *)r->desc_.memory;
    uint32_t n = r->length_ - r->done_;
    bool whole;
    DX_CHUNKS_ASSERT(r->done_ <= r->length_ && r->length_ <= r->desc_.memory_size);
    if (*size < n) n = (uint32_t)*size;
    whole = n == r->length_ && *size > 0;
    if (n && !whole) DX_CHUNKS_MEMCPY(memory + r->done_, *bytes, n);
    *data = whole ? *bytes : memory;
    if (n) *bytes += n;
    *size -= n;
    r->done_ += n;
    return r->done_ == r->length_;
}

DX_CHUNKS_API int dx_chunks_next(dx_chunks_reader *r, const uint8_t **bytes, size_t *size,
                                 dx_chunks_chunk *chunk)
{
    if (!r || !r->desc_.memory || !bytes || !size || !chunk) return DX_CHUNKS_EINVAL;
    if (!*bytes && *size) return DX_CHUNKS_EINVAL;
    if (r->error_ || r->finished) return r->error_;
    if (!dx_chunks_p_read_head(r, bytes, size)) return 0;
    if (r->error_ || r->finished) return r->error_;
    if (!dx_chunks_p_read_body(r, bytes, size, &chunk->data)) return 0;
    DX_CHUNKS_ASSERT(chunk->data && r->done_ == r->length_);
    chunk->size = r->length_;
    chunk->type = r->head_[0];
    r->head_size_ = 0;
    return 1;
}

DX_CHUNKS_API int64_t dx_chunks_feed(dx_chunks_reader *r, const void *bytes, size_t size)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_chunks_chunk chunk;
    int64_t completed = 0;
    int got;
    while ((got = dx_chunks_next(r, &p, &size, &chunk)) > 0) {
        if (r->desc_.on_chunk) r->error_ = r->desc_.on_chunk(r->desc_.user, &chunk);
        if (r->error_ > 0) r->error_ = DX_CHUNKS_ECANCELED;
        if (r->error_) return r->error_;
        completed++;
    }
    if (got < 0) return got;
    DX_CHUNKS_ASSERT(!size || r->finished);
    r->leftover += size;
    return completed;
}

DX_CHUNKS_API int dx_chunks_finish(const dx_chunks_reader *r)
{
    if (!r || !r->desc_.memory) return DX_CHUNKS_EINVAL;
    return r->error_ || r->finished ? r->error_ : DX_CHUNKS_ETRUNCATED;
}

/* >>headers -------------------------------------------------------------
       0       4         6          8            16              48          64
       | DXST  | version | 0        | total size | target hash   | 0         | */
static const uint8_t dx_chunks_p_magic[4] = {0x44, 0x58, 0x53, 0x54}; /* "DXST" */

DX_CHUNKS_API void dx_chunks_encode_header(uint8_t bytes[64], const dx_chunks_header *header)
{
    DX_CHUNKS_ASSERT(bytes && header);
    DX_CHUNKS_MEMSET(bytes, 0, DX_CHUNKS_HEADER_SIZE);
    DX_CHUNKS_MEMCPY(bytes, dx_chunks_p_magic, sizeof dx_chunks_p_magic);
    dx_chunks_p_store16(bytes + 4, DX_CHUNKS_FORMAT);
    dx_chunks_p_store64(bytes + 8, header->total_size);
    DX_CHUNKS_MEMCPY(bytes + 16, header->target_hash, sizeof header->target_hash);
}

DX_CHUNKS_API int dx_chunks_decode_header(const void *bytes, size_t size, dx_chunks_header *header)
{
    const uint8_t *p = (const uint8_t *)bytes;
    uint8_t again[DX_CHUNKS_HEADER_SIZE];
    dx_chunks_header got;
    if (!p || !header) return DX_CHUNKS_EINVAL;
    if (size != DX_CHUNKS_HEADER_SIZE) return DX_CHUNKS_ETRUNCATED;
    if (DX_CHUNKS_MEMCMP(p, dx_chunks_p_magic, sizeof dx_chunks_p_magic) != 0)
        return DX_CHUNKS_ECORRUPT;
    if (dx_chunks_p_load16(p + 4) != DX_CHUNKS_FORMAT) return DX_CHUNKS_EVERSION;
    got.total_size = dx_chunks_p_load64(p + 8);
    DX_CHUNKS_MEMCPY(got.target_hash, p + 16, sizeof got.target_hash);
    /* All bytes outside fields are fixed, so a valid header equals its own encoding. */
    dx_chunks_encode_header(again, &got);
    if (DX_CHUNKS_MEMCMP(p, again, sizeof again) != 0) return DX_CHUNKS_ECORRUPT;
    *header = got;
    return DX_CHUNKS_OK;
}

/* >>dispatching ---------------------------------------------------------
   The set of received types, one bit each, decides which may come next:

       Header -> Layout -> State -> Wasm        each at most once, none after a later one;
          \________ Patch, Patch, ... _____/    any number, anywhere after the Header

   The types are numbered in this order, so "a later one was received" is a shift of the set. */
/* Was a chunk of this type received? */
static bool dx_chunks_p_was_seen(const dx_chunks_dispatcher *d, unsigned type)
{
    DX_CHUNKS_ASSERT(type < 8);
    return (d->seen_ >> type & 1) != 0;
}

/* May a chunk of this type begin now? */
static int dx_chunks_p_admit(const dx_chunks_dispatcher *d, uint8_t type)
{
    const unsigned ordered = d->seen_ & ~(1u << DX_CHUNKS_PATCH);
    DX_CHUNKS_ASSERT(type >= DX_CHUNKS_HEADER && type <= DX_CHUNKS_PATCH);
    if (type != DX_CHUNKS_PATCH && dx_chunks_p_was_seen(d, type)) return DX_CHUNKS_EDUPLICATE;
    if (type != DX_CHUNKS_HEADER && !dx_chunks_p_was_seen(d, DX_CHUNKS_HEADER))
        return DX_CHUNKS_EORDER;
    if (type == DX_CHUNKS_PATCH) return d->on[type] ? DX_CHUNKS_OK : DX_CHUNKS_ENOPATCH;
    return ordered >> type ? DX_CHUNKS_EORDER : DX_CHUNKS_OK; /* a later one was received */
}

DX_CHUNKS_API int dx_chunks_dispatch(void *dispatcher, const dx_chunks_chunk *chunk)
{
    dx_chunks_dispatcher *d = (dx_chunks_dispatcher *)dispatcher;
    int error;
    if (!d || !chunk) return DX_CHUNKS_EINVAL;
    if (chunk->type < DX_CHUNKS_HEADER || chunk->type > DX_CHUNKS_PATCH)
        return DX_CHUNKS_ECHUNKTYPE;
    error = dx_chunks_p_admit(d, chunk->type);
    if (!error && chunk->type == DX_CHUNKS_HEADER)
        error = dx_chunks_decode_header(chunk->data, chunk->size, &d->header);
    if (error) return error;
    d->seen_ = (uint8_t)(d->seen_ | 1u << chunk->type);
    d->size_ += DX_CHUNKS_HEAD_SIZE + (uint64_t)chunk->size;
    DX_CHUNKS_ASSERT(dx_chunks_p_was_seen(d, DX_CHUNKS_HEADER));
    return d->on[chunk->type] ? d->on[chunk->type](d->user, chunk) : DX_CHUNKS_OK;
}

DX_CHUNKS_API bool dx_chunks_is_complete(const dx_chunks_dispatcher *d)
{
    return dx_chunks_p_was_seen(d, DX_CHUNKS_LAYOUT) && dx_chunks_p_was_seen(d, DX_CHUNKS_WASM);
}

DX_CHUNKS_API int dx_chunks_finish_dispatch(const dx_chunks_dispatcher *d)
{
    const uint64_t announced = d->header.total_size; /* 0: unknown when the stream began */
    if (!dx_chunks_p_was_seen(d, DX_CHUNKS_LAYOUT)) return DX_CHUNKS_ENOLAYOUT;
    if (!dx_chunks_p_was_seen(d, DX_CHUNKS_WASM)) return DX_CHUNKS_ETRUNCATED;
    DX_CHUNKS_ASSERT(d->size_ >= DX_CHUNKS_HEAD_SIZE + DX_CHUNKS_HEADER_SIZE);
    /* The dispatcher does not see the Eof, which counts as part of the stream. */
    if (announced && announced - DX_CHUNKS_HEAD_SIZE != d->size_) return DX_CHUNKS_ECORRUPT;
    return DX_CHUNKS_OK;
}

/* >>writing -------------------------------------------------------------
   Chunks are appended to a buffer, all or nothing; a stream whose last chunk does not fit is
   removed again. The Header has the size of all, so that is computed first:

       5+64 Header | 5 + layout_size | 5 + state_size | 5 + wasm_size | 5 Eof  =  total size */
DX_CHUNKS_API int dx_chunks_write(dx_chunks_buffer *buffer, uint8_t type, const void *data,
                                  size_t size)
{
    uint8_t *p;
    size_t room;
    if (!buffer || !buffer->memory || buffer->size > buffer->capacity || (!data && size))
        return DX_CHUNKS_EINVAL;
    if (!dx_chunks_p_fits_32(size)) return DX_CHUNKS_ETOOBIG;
    if (dx_chunks_p_check(type, (uint32_t)size)) return DX_CHUNKS_EINVAL;
    room = buffer->capacity - buffer->size;
    if (room < DX_CHUNKS_HEAD_SIZE || size > room - DX_CHUNKS_HEAD_SIZE) return DX_CHUNKS_ENOSPACE;
    p = buffer->memory + buffer->size;
    p[0] = type;
    dx_chunks_p_store32(p + 1, (uint32_t)size);
    if (size) DX_CHUNKS_MEMCPY(p + DX_CHUNKS_HEAD_SIZE, data, size);
    buffer->size += DX_CHUNKS_HEAD_SIZE + size;
    DX_CHUNKS_ASSERT(buffer->size <= buffer->capacity);
    return DX_CHUNKS_OK;
}

DX_CHUNKS_API uint64_t dx_chunks_stream_size(const dx_chunks_parts *parts)
{
    const uint64_t chunks = 5; /* Header, Layout, State, Wasm, Eof */
    DX_CHUNKS_ASSERT(parts);
    return chunks * DX_CHUNKS_HEAD_SIZE + DX_CHUNKS_HEADER_SIZE + parts->layout_size +
           parts->state_size + parts->wasm_size;
}

DX_CHUNKS_API int dx_chunks_write_stream(dx_chunks_buffer *buffer, const dx_chunks_parts *parts)
{
    uint8_t body[DX_CHUNKS_HEADER_SIZE];
    dx_chunks_header header;
    size_t size_before;
    int error;
    if (!buffer || !parts) return DX_CHUNKS_EINVAL;
    size_before = buffer->size;
    header.total_size = dx_chunks_stream_size(parts);
    DX_CHUNKS_MEMCPY(header.target_hash, parts->target_hash, sizeof header.target_hash);
    dx_chunks_encode_header(body, &header);
    error = dx_chunks_write(buffer, DX_CHUNKS_HEADER, body, sizeof body);
    if (!error)
        error = dx_chunks_write(buffer, DX_CHUNKS_LAYOUT, parts->layout, parts->layout_size);
    if (!error) error = dx_chunks_write(buffer, DX_CHUNKS_STATE, parts->state, parts->state_size);
    if (!error) error = dx_chunks_write(buffer, DX_CHUNKS_WASM, parts->wasm, parts->wasm_size);
    if (!error) error = dx_chunks_write(buffer, DX_CHUNKS_EOF, NULL, 0);
    if (error) {
        buffer->size = size_before;
        return error;
    }
    DX_CHUNKS_ASSERT(buffer->size - size_before == header.total_size);
    return DX_CHUNKS_OK;
}

#endif /* DX_CHUNKS_IMPLEMENTATION */

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
