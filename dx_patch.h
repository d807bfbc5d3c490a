/*  dx_patch.h - v0.1.0 - turns version A of some bytes into version B - MIT-0 or public domain

    Do this in ONE C or C++ file:

        #define DX_PATCH_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx header)
        #include "dx_patch.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static uint8_t work[1 << 18], patch[512], out[64];
        const char *old_text = "the quick brown fox jumps over the lazy dog, 1";
        const char *new_text = "the quick brown fox jumped over the lazy dog, 2";
        size_t patch_size, out_size;
        dx_patch_create_desc desc = {0};
        desc.memory = work;
        desc.memory_size = sizeof work;
        int error = dx_patch_create(&desc, old_text, strlen(old_text), new_text,
                                    strlen(new_text), patch, sizeof patch, &patch_size);
        if (error) return 1;
        error = dx_patch_apply(old_text, strlen(old_text), patch, patch_size, out, sizeof out,
                               &out_size, work, sizeof work);
        if (error) printf("refused: %s\n", dx_patch_error_name(error));
        if (error || memcmp(out, new_text, out_size) != 0) return 1;

    CONTENTS (search >>)  config types api platform shared hash header coder plain predict
                          covers writer create blocks reader applier flash versions public license

    THREE KINDS OF PATCH, one container (128 bytes: sizes, hashes, memory that applying needs)
        blocks   XOR of fixed blocks: in place, undone by the same patch; for images of one layout
        delta    covers of the old bytes, references predicted through the map of covers, and what
                 is left in an adaptive range coder: for whatever moves
        flash    a delta for one slot of flash: in place, page by page, safe against power cuts

    GUARANTEES  never allocates; no globals; no recursion; applying gives the target whose hash
                stands in the patch, or an error. A patch for another base is refused before a byte
                is written. The same input and memory size give the same patch everywhere.
    LIMITS      create works on inputs in memory; references are predicted in files below 4 GiB;
                an applier takes about 5 KB (on the stack in dx_patch_apply and dx_patch_create),
                a flash object 8 KB; one thread per object
    CONFIG      DX_PATCH_STATIC, DX_PATCH_API (extern), DX_PATCH_ASSERT(c) (assert),
                DX_PATCH_MEMCPY, DX_PATCH_MEMMOVE, DX_PATCH_MEMSET, DX_PATCH_MEMCMP
    ERRORS      dx_patch_error: 0 = ok, negative = reason; dx_patch_error_name()
    OWNERSHIP   the caller owns every buffer; a parameter that is kept says "borrowed until"
    FORMAT      docs/PATCH.md (normative)
*/
#ifndef DX_PATCH_H
#define DX_PATCH_H

#define DX_PATCH_VERSION 0x000100 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_PATCH_API
  #ifdef DX_PATCH_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_PATCH_API static __attribute__((unused))
    #else
      #define DX_PATCH_API static
    #endif
  #else
    #define DX_PATCH_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
#define DX_PATCH_HEADER_SIZE 128 /* bytes; dx_patch_info() needs no more */
#define DX_PATCH_HASH_SIZE   32  /* BLAKE3-256 */

/* value, constant, code of the XOR patcher protocol; the first 13 are common to all dx headers. */
#define DX_PATCH_ERRORS(X)                                                                         \
    X(0, OK, 0)                                                                                    \
    X(-1, EINVAL, 1)      /* an argument breaks its documented contract */                         \
    X(-2, ENOMEM, 1)      /* the memory given is smaller than what is needed */                    \
    X(-3, ENOSPACE, 1)    /* the output buffer, or the slot of flash, is too small */              \
    X(-4, ETOOBIG, 1)     /* a declared size is above the limit that the caller set */             \
    X(-5, ECORRUPT, 1)    /* the bytes are damaged, or bytes follow the end of the patch */        \
    X(-6, EAGAIN, 1)      /* not used here */                                                      \
    X(-7, ESYS, 1)        /* a callback failed: dx_patch_applier_callback_result() */              \
    X(-8, ENOTSUP, 1)     /* asks for what this build or this kind cannot do (undo, zstd) */       \
    X(-9, ENOTFOUND, 1)   /* no version with this hash is kept */                                  \
    X(-10, ECANCELED, 1)  /* the progress callback said stop */                                    \
    X(-11, ETRUNCATED, 3) /* the patch ends too early */                                           \
    X(-12, EVERSION, 2)   /* a version, kind, hash, coding, flag or predictor unknown here */      \
    X(-32, EHEADER, 2)    /* not a patch, or its header is damaged or contradicts itself */        \
    X(-33, EBLOCK, 4)     /* a block record is malformed */                                        \
    X(-34, EBOUNDS, 7)    /* an instruction reaches outside of the old or the new bytes */         \
    X(-35, ENOBASE, 5)    /* no base was given */                                                  \
    X(-36, ENOPATCH, 6)   /* no patch was given */                                                 \
    X(-37, EBASE, 1)      /* the base is not the one this patch was made for */                    \
    X(-38, EAPPLIED, 1)   /* the base already is the target of this patch */                       \
    X(-39, ETARGET, 1)    /* the result does not have the hash that the patch promises */

typedef enum dx_patch_error {
#define DX_PATCH_P_ENUM(value, constant, wire) DX_PATCH_##constant = value,
    DX_PATCH_ERRORS(DX_PATCH_P_ENUM)
#undef DX_PATCH_P_ENUM
} dx_patch_error;

typedef enum dx_patch_kind {
    DX_PATCH_KIND_BLOCKS = 1,
    DX_PATCH_KIND_DELTA = 2,
    DX_PATCH_KIND_FLASH = 4 /* in place on one slot of flash: dx_patch_flash_apply() */
} dx_patch_kind;

typedef enum dx_patch_coding {
    DX_PATCH_CODING_PLAIN = 0, DX_PATCH_CODING_RANGE = 1,
    DX_PATCH_CODING_ZSTD = 2, /* of early patches; refused: ENOTSUP */
    DX_PATCH_CODING_BRIEF = 3 /* blocks: two bytes where one byte of a hundred has changed */
} dx_patch_coding;

/* A faster BLAKE3-256 than the portable one inside. All zero: the one inside is used. One hash is
   computed at a time: start, update any number of times, finish, and start again for the next. */
typedef struct dx_patch_hasher {
    void *user; /* handed to the three functions */
    void (*start)(void *user);
    void (*update)(void *user, const void *data, size_t size);
    void (*finish)(void *user, uint8_t *hash); /* writes DX_PATCH_HASH_SIZE bytes */
} dx_patch_hasher;

/* What the first 128 bytes of a patch say. */
typedef struct dx_patch_header {
    uint8_t version;       /* 1 */
    uint8_t kind;          /* dx_patch_kind */
    uint8_t hash_kind;     /* 1 = BLAKE3-256 */
    uint8_t coding;        /* dx_patch_coding */
    bool reversible;       /* undo gives the base back */
    uint32_t block_size;   /* bytes; 0 for a delta */
    uint32_t trailer_size; /* bytes after the body for a signature; not interpreted */
    uint32_t body_crc;     /* CRC-32C */
    uint64_t base_size, target_size, body_size; /* bytes */
    uint64_t memory_size;  /* bytes of memory that applying this patch needs */
    uint8_t base_hash[DX_PATCH_HASH_SIZE];
    uint8_t target_hash[DX_PATCH_HASH_SIZE];
} dx_patch_header;

typedef struct dx_patch_create_desc {
    void *memory;              /* required, any alignment; used during the call only */
    size_t memory_size;        /* bytes; dx_patch_create_memory_size() is the best, less works */
    dx_patch_kind kind;        /* 0 = DX_PATCH_KIND_DELTA */
    uint32_t block_size;       /* blocks: 64..65536; flash: bytes of a page, 256..1 MiB; powers of
                                  two; 0 = 4096 */
    uint64_t slot_size;        /* flash: bytes; 0 = two pages more than base and target take, more
                                  make the patch smaller, one is the least */
    uint32_t trailer_size;     /* bytes that the caller will append for a signature; 0 = none */
    uint32_t codings;          /* bits 1 << dx_patch_coding; 0 = all that this build has */
    uint64_t apply_memory_max; /* bytes that applying may need; 0 = 64 MiB */
    bool one_way;              /* blocks: drop what a shrinking target cuts off; no undo then */
    bool skip_check;           /* do not apply the patch once before reporting success */
    dx_patch_hasher hasher;    /* zero = the portable one inside */
} dx_patch_create_desc;

/* Callbacks return 0, or any other value to stop with DX_PATCH_ESYS. */
typedef struct dx_patch_applier_desc {
    void *user; /* handed to the callbacks */
    /* Fill out with exactly size bytes of the base from offset on. Required without base. */
    int (*read)(void *user, uint64_t offset, void *out, size_t size);
    /* The next size bytes of the target, in order. Required without out. */
    int (*write)(void *user, const void *data, size_t size);
    /* Optional. Bytes done of total, base hashing included; not 0 = stop with ECANCELED. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    const void *base;         /* the base in memory; read is not called then */
    void *out;                /* the target in memory, not overlapping; write is not called then */
    size_t out_capacity;      /* bytes of out */
    uint64_t base_size;       /* bytes of the base */
    void *memory;             /* required, any alignment; borrowed until finish */
    size_t memory_size;       /* bytes; at least memory_size of the patch */
    uint64_t target_size_max; /* bytes; 0 = no limit */
    bool skip_base_hash;      /* the caller has verified the base: only its size is checked */
    bool skip_target_hash;    /* the caller verifies the target: OK does not speak of its hash */
    bool undo;                /* blocks: the base is the target, produce what it was made from */
    dx_patch_hasher hasher;   /* zero = the portable one inside */
} dx_patch_applier_desc;

typedef struct dx_patch_p_blake3 {
    uint32_t cv_[8];
    uint64_t chunk_;
    uint8_t block_[64];
    uint8_t block_size_, blocks_, stack_size_;
    uint8_t stack_[54 * 32];
} dx_patch_p_blake3;

typedef struct dx_patch_p_predictor {
    uint32_t *covers_; /* new offset, old offset, size; ascending by new offset */
    uint32_t *order_;  /* cover indexes, ascending by old offset */
    uint32_t *memory_; /* corrections, by region of the target */
    uint32_t count_, flags_, last_run_, last_diff_, segment_count_[2];
    uint32_t region_bits_;
    uint64_t segments_[2][8][4]; /* offset, address, size in the file, size in memory */
    uint64_t bias_[2], origin_[2];
} dx_patch_p_predictor;

/* Decoder state. The arrays that it points to lie in the memory of the descriptor. */
typedef struct dx_patch_p_decoder {
    const uint8_t *source_;
    size_t source_at_, source_size_, used_;
    bool source_last_, past_end_, bad_number_, map_, wrong_known_, wrong_;
    uint8_t last_byte_;
    uint16_t *models_;
    uint8_t *counts_, *old_, *new_, *history_;
    uint32_t range_, code_, literal_bits_, diff_bits_, id_, setup_at_;
    uint32_t at_, start_, size_, room_, since_, run_, cover_at_, history_log_, after_;
    uint64_t repeat_left_, back_, history_size_;
    uint64_t literals_left_, cover_left_, cover_old_, cover_new_, new_end_, old_end_;
    dx_patch_p_predictor predictor_;
} dx_patch_p_decoder;

typedef struct dx_patch_p_runs { /* where in a block patch the reader is */
    uint64_t block_size, limit, next, at, size, left;
    bool brief; /* the coding */
} dx_patch_p_runs;

typedef struct dx_patch_applier { /* caller-allocated; fields are private */
    dx_patch_applier_desc desc_;
    dx_patch_header header_;
    dx_patch_p_blake3 blake3_;
    dx_patch_p_decoder decoder_;
    dx_patch_p_runs runs_;
    uint64_t from_size_, to_size_, received_, produced_, base_done_, at_;
    int error_, callback_result_, state_;
    uint32_t crc_;
    size_t in_size_;
    uint8_t in_[1024];
} dx_patch_applier;

/* What a flash patch asks of the device, at an offset of the slot. WRITE: 256 bytes within an
   erased page, all 0xFF. ERASE: a page of the patch's page size, with no data. */
typedef enum dx_patch_flash_io {
    DX_PATCH_FLASH_READ, DX_PATCH_FLASH_WRITE, DX_PATCH_FLASH_ERASE
} dx_patch_flash_io;

typedef struct dx_patch_flash_desc { /* all but hasher is required */
    void *user; /* handed to io, which returns 0, or what makes the call end with ESYS */
    int (*io)(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size);
    const void *patch; /* the whole patch; it must outlive power cuts */
    size_t patch_size; /* bytes */
    uint64_t slot_size; /* bytes */
    uint32_t page_size; /* bytes that are erased at once; divides the patch's pages */
    dx_patch_hasher hasher; /* zero = the portable one inside */
} dx_patch_flash_desc;

typedef struct dx_patch_p_layout { /* of the pages of base and target: 1 << bits bytes each */
    uint32_t base_size, target_size, gap, bits;
    bool down;
} dx_patch_p_layout;

typedef struct dx_patch_flash { /* caller-allocated; fields are private */
    dx_patch_flash_desc desc_;
    dx_patch_header header_;
    dx_patch_p_decoder decoder_;
    dx_patch_p_layout layout_;
    uint32_t stream_at_, moves_, erased_, cached_, first_step_;
    int error_;
    uint8_t old_[64], out_[256];
    union {
        dx_patch_p_blake3 blake3_;
        uint16_t models_[2 * 1280];
    } u_;
} dx_patch_flash;

/* The last versions of something, so that a server can make a patch from what a client has. */
typedef struct dx_patch_version {
    const void *data;
    size_t size;
    uint8_t hash[DX_PATCH_HASH_SIZE];
} dx_patch_version;

typedef struct dx_patch_versions { /* caller-allocated; fields are private */
    dx_patch_version *slots_;
    size_t capacity_, count_, first_;
} dx_patch_versions;

/* >>api ---------------------------------------------------------------- */
/* "DX_PATCH_ECORRUPT" and so on; "DX_PATCH_?" for a value that is none. Static storage. */
DX_PATCH_API const char *dx_patch_error_name(int error);

/* The numeric codes 1..7 of the XOR patcher protocol: 1 invalid patch data, 2 invalid header,
   3 truncated, 4 invalid block data, 5 no base, 6 no patch, 7 out of bounds; 0 for DX_PATCH_OK. */
DX_PATCH_API int dx_patch_error_wire(int error);

/* BLAKE3-256 of size bytes into hash (DX_PATCH_HASH_SIZE bytes). */
DX_PATCH_API void dx_patch_hash(const void *data, size_t size, uint8_t *hash);

/* Read and check the header of a patch from its first size >= 128 bytes. It is all that a device
   needs to refuse early: sizes, hashes, memory. ETRUNCATED below 128 bytes, EHEADER, EVERSION. */
DX_PATCH_API int dx_patch_info(const void *bytes, size_t size, dx_patch_header *header);

/* Bytes of output that dx_patch_create() never exceeds; 0 when that is above SIZE_MAX. */
DX_PATCH_API size_t dx_patch_bound(const dx_patch_create_desc *desc, size_t base_size,
                                   size_t target_size);

/* Bytes of memory with which dx_patch_create() finds everything; 0 when above SIZE_MAX. Less, from
   67 KB on, makes larger delta patches; another memory_size may give another patch. */
DX_PATCH_API size_t dx_patch_create_memory_size(const dx_patch_create_desc *desc,
                                                size_t base_size, size_t target_size);

/* Make the patch that turns base into target. A size of 0 allows a NULL pointer. The patch is
   applied once to check it, unless desc->skip_check. out (out_capacity bytes) receives header and
   body, *out_size bytes; desc->trailer_size bytes are then the caller's to append.
   EINVAL, ENOMEM, ENOSPACE, ENOTSUP (no coding of desc->codings is compiled in). */
DX_PATCH_API int dx_patch_create(const dx_patch_create_desc *desc, const void *base,
                                 size_t base_size, const void *target, size_t target_size,
                                 void *out, size_t out_capacity, size_t *out_size);

/* Apply a whole patch, trailer included, memory to memory. out must not overlap base; after an
   error its content means nothing. memory: at least memory_size of the patch's header. */
DX_PATCH_API int dx_patch_apply(const void *base, size_t base_size, const void *patch,
                                size_t patch_size, void *out, size_t out_capacity,
                                size_t *out_size, void *memory, size_t memory_size);

/* Blocks: turn the base_size bytes in buffer into the target, all or nothing: after an error they
   are as they were (what lies behind them may be zeroed). buffer_capacity covers the larger of
   both. ENOTSUP for a delta. */
DX_PATCH_API int dx_patch_apply_in_place(void *buffer, size_t base_size, size_t buffer_capacity,
                                         const void *patch, size_t patch_size, size_t *new_size);

/* Blocks: turn the target back into the base with the same patch, all or nothing. ENOTSUP when the
   patch is not reversible. */
DX_PATCH_API int dx_patch_undo(void *buffer, size_t target_size, size_t buffer_capacity,
                               const void *patch, size_t patch_size, size_t *new_size);

/* Apply a patch while it arrives. *desc is copied. EINVAL, ENOBASE (no read callback). */
DX_PATCH_API int dx_patch_applier_init(dx_patch_applier *a, const dx_patch_applier_desc *desc);

/* The next bytes of the patch, any number. All are taken. Once the header is complete the whole
   base is read and hashed; only then the first byte is written. An error is final: every later
   call returns it. */
DX_PATCH_API int dx_patch_applier_feed(dx_patch_applier *a, const void *data, size_t size);

/* DX_PATCH_OK only when the whole patch arrived and what was written has the promised hash. */
DX_PATCH_API int dx_patch_applier_finish(dx_patch_applier *a);

/* What the callback returned that led to DX_PATCH_ESYS or ECANCELED; 0 otherwise. */
DX_PATCH_API int dx_patch_applier_callback_result(const dx_patch_applier *a);

/* Flash patches: turn the base into the target where it lies, page by page. After a power cut or an
   error of io call it again, any number of times, with the same patch: the pages show how far it
   came. No page is erased more than twice, and at most twice more after each cut. OK and EAPPLIED:
   the slot holds the target; what lies behind it is undefined. EBASE: it holds neither the base nor
   what an interrupted run left, and nothing was changed. ENOSPACE: the slot, ENOTSUP: the page size
   does not suit the patch. */
DX_PATCH_API int dx_patch_flash_apply(dx_patch_flash *f, const dx_patch_flash_desc *desc);

/* Keep the last `capacity` versions in slots (borrowed while the object is used). */
DX_PATCH_API int dx_patch_versions_init(dx_patch_versions *v, dx_patch_version *slots,
                                        size_t capacity);

/* Add a version; data is borrowed until it is evicted. The oldest one goes when all slots are
   taken; *evicted (may be NULL) receives it, or a zeroed entry. A version that is kept already
   changes nothing and evicts nothing. */
DX_PATCH_API int dx_patch_versions_add(dx_patch_versions *v, const void *data, size_t size,
                                       dx_patch_version *evicted);

/* The version with this hash (DX_PATCH_HASH_SIZE bytes), or NULL. */
DX_PATCH_API const dx_patch_version *dx_patch_versions_find(const dx_patch_versions *v,
                                                            const uint8_t *hash);

/* dx_patch_create() from the kept version with this hash to target; ENOTFOUND. */
DX_PATCH_API int dx_patch_versions_patch(const dx_patch_versions *v, const uint8_t *base_hash,
                                         const dx_patch_create_desc *desc, const void *target,
                                         size_t target_size, void *out, size_t out_capacity,
                                         size_t *out_size);

#ifdef __cplusplus
}
#endif
#endif /* DX_PATCH_H */

#if (defined(DX_PATCH_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_PATCH_IMPLEMENTED)
#define DX_PATCH_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_PATCH_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_PATCH_ASSERT(c) assert(c)
  #else
    #define DX_PATCH_ASSERT(c) ((void)sizeof(c))
  #endif
#endif
#if !defined(__GNUC__) && !defined(__clang__)
  #include <string.h>
  #define DX_PATCH_P_MEM(name) name
#else
  #define DX_PATCH_P_MEM(name) __builtin_##name
#endif
#ifndef DX_PATCH_MEMCPY
  #define DX_PATCH_MEMCPY DX_PATCH_P_MEM(memcpy)
#endif
#ifndef DX_PATCH_MEMMOVE
  #define DX_PATCH_MEMMOVE DX_PATCH_P_MEM(memmove)
#endif
#ifndef DX_PATCH_MEMSET
  #define DX_PATCH_MEMSET DX_PATCH_P_MEM(memset)
#endif
#ifndef DX_PATCH_MEMCMP
  #define DX_PATCH_MEMCMP DX_PATCH_P_MEM(memcmp)
#endif
/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_patch_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_patch_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_patch_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_patch_p_load32(p) | (uint64_t)dx_patch_p_load32(p + 4) << 32;
}

static void dx_patch_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_patch_p_store64(uint8_t *p, uint64_t v)
{
    dx_patch_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_patch_p_store32(p + 4, (uint32_t)(v >> 32));
}

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x82f63b78 reflected, a nibble at a
   time so that the table is 64 bytes. Start with crc = 0; feed pieces in order. */
static uint32_t dx_patch_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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

/* BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs, section 2.2): flags of a compression. */
enum {
    DX_PATCH_P_B3_CHUNK_START = 1,
    DX_PATCH_P_B3_CHUNK_END = 2,
    DX_PATCH_P_B3_PARENT = 4,
    DX_PATCH_P_B3_ROOT = 8,
    DX_PATCH_P_B3_KEYED = 16,
    DX_PATCH_P_B3_DERIVE_CONTEXT = 32,
    DX_PATCH_P_B3_DERIVE_MATERIAL = 64
};

/* The key of the plain hash: the first words of SHA-256's state. */
static void dx_patch_p_blake3_iv(uint32_t key[8])
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    unsigned i;
    for (i = 0; i < 8; i++) key[i] = iv[i];
}

#define DX_PATCH_P_B3_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define DX_PATCH_P_B3_G(a, b, c, d, x, y)     \
    do {                                    \
        a += b + m[x];                      \
        d = DX_PATCH_P_B3_ROTR(d ^ a, 16);    \
        c += d;                             \
        b = DX_PATCH_P_B3_ROTR(b ^ c, 12);    \
        a += b + m[y];                      \
        d = DX_PATCH_P_B3_ROTR(d ^ a, 8);     \
        c += d;                             \
        b = DX_PATCH_P_B3_ROTR(b ^ c, 7);     \
    } while (0)
/* One round; the arguments are the order in which it takes the message words. */
#define DX_PATCH_P_B3_ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if) \
    do {                                                                                  \
        DX_PATCH_P_B3_G(v0, v4, v8, vc, i0, i1);                                            \
        DX_PATCH_P_B3_G(v1, v5, v9, vd, i2, i3);                                            \
        DX_PATCH_P_B3_G(v2, v6, va, ve, i4, i5);                                            \
        DX_PATCH_P_B3_G(v3, v7, vb, vf, i6, i7);                                            \
        DX_PATCH_P_B3_G(v0, v5, va, vf, i8, i9);                                            \
        DX_PATCH_P_B3_G(v1, v6, vb, vc, ia, ib);                                            \
        DX_PATCH_P_B3_G(v2, v7, v8, vd, ic, id);                                            \
        DX_PATCH_P_B3_G(v3, v4, v9, ve, ie, if);                                            \
    } while (0)

/* The compression function: out[0..8) is the chaining value, all 16 words are the output of a root.
   out may be cv. block_size says how many bytes of block count, the rest must be zero. */
static void dx_patch_p_blake3_compress(uint32_t out[16], const uint32_t cv[8],
                                     const uint8_t block[64], uint32_t block_size,
                                     uint64_t counter, uint32_t flags)
{
    uint32_t m[16];
    uint32_t v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    uint32_t v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    uint32_t v8 = 0x6a09e667u, v9 = 0xbb67ae85u, va = 0x3c6ef372u, vb = 0xa54ff53au;
    uint32_t vc = (uint32_t)(counter & 0xffffffffu), vd = (uint32_t)(counter >> 32);
    uint32_t ve = block_size, vf = flags;
    unsigned i;
    for (i = 0; i < 16; i++) m[i] = dx_patch_p_load32(block + 4 * i);
    DX_PATCH_P_B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    DX_PATCH_P_B3_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    DX_PATCH_P_B3_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    DX_PATCH_P_B3_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    DX_PATCH_P_B3_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    DX_PATCH_P_B3_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    DX_PATCH_P_B3_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
    out[8] = v8 ^ cv[0];
    out[9] = v9 ^ cv[1];
    out[10] = va ^ cv[2];
    out[11] = vb ^ cv[3];
    out[12] = vc ^ cv[4];
    out[13] = vd ^ cv[5];
    out[14] = ve ^ cv[6];
    out[15] = vf ^ cv[7];
    out[0] = v0 ^ v8;
    out[1] = v1 ^ v9;
    out[2] = v2 ^ va;
    out[3] = v3 ^ vb;
    out[4] = v4 ^ vc;
    out[5] = v5 ^ vd;
    out[6] = v6 ^ ve;
    out[7] = v7 ^ vf;
}
#undef DX_PATCH_P_B3_ROUND
#undef DX_PATCH_P_B3_G
#undef DX_PATCH_P_B3_ROTR
/* <<shared */

/* >>hash: BLAKE3-256, incremental ------------------------------------------- */
static void dx_patch_p_hash_chunk(dx_patch_p_blake3 *h)
{
    dx_patch_p_blake3_iv(h->cv_);
    h->block_size_ = 0;
    h->blocks_ = 0;
}

static void dx_patch_p_hash_reset(dx_patch_p_blake3 *h)
{
    h->chunk_ = 0;
    h->stack_size_ = 0;
    dx_patch_p_hash_chunk(h);
}

static void dx_patch_p_hash_parent(uint32_t *cv, const uint8_t *pair, uint32_t flags)
{
    uint32_t out[16];
    dx_patch_p_blake3_iv(cv);
    dx_patch_p_blake3_compress(out, cv, pair, 64, 0, (uint32_t)DX_PATCH_P_B3_PARENT | flags);
    DX_PATCH_MEMCPY(cv, out, 32);
}

/* The chunk is full: push its value and join the subtrees that it completes. */
static void dx_patch_p_hash_push(dx_patch_p_blake3 *h)
{
    uint64_t chunks = ++h->chunk_;
    unsigned i;
    uint8_t *top = h->stack_ + 32u * h->stack_size_;
    for (i = 0; i < 8; i++) dx_patch_p_store32(top + 4 * i, h->cv_[i]);
    h->stack_size_++;
    for (; !(chunks & 1); chunks >>= 1) {
        uint32_t cv[8];
        top -= 32;
        h->stack_size_--;
        dx_patch_p_hash_parent(cv, top, 0);
        for (i = 0; i < 8; i++) dx_patch_p_store32(top + 4 * i, cv[i]);
    }
    dx_patch_p_hash_chunk(h);
}

/* One whole block that is not the last one. */
static void dx_patch_p_hash_block(dx_patch_p_blake3 *h, const uint8_t *block)
{
    uint32_t flags = h->blocks_ == 0 ? (uint32_t)DX_PATCH_P_B3_CHUNK_START : 0u, out[16];
    if (h->blocks_ == 15) flags |= (uint32_t)DX_PATCH_P_B3_CHUNK_END;
    dx_patch_p_blake3_compress(out, h->cv_, block, 64, h->chunk_, flags);
    DX_PATCH_MEMCPY(h->cv_, out, 32);
    if (++h->blocks_ == 16) dx_patch_p_hash_push(h);
}

static void dx_patch_p_hash_more(dx_patch_p_blake3 *h, const uint8_t *p, size_t size)
{
    while (size) {
        size_t part = 64u - h->block_size_;
        if (!part) { /* more follows, so the block that was kept is not the last one */
            h->block_size_ = 0;
            dx_patch_p_hash_block(h, h->block_);
            continue;
        }
        if (part == 64)
            for (; size > 64; size -= 64, p += 64) dx_patch_p_hash_block(h, p);
        if (part > size) part = size;
        DX_PATCH_MEMCPY(h->block_ + h->block_size_, p, part);
        h->block_size_ = (uint8_t)(h->block_size_ + part);
        p += part;
        size -= part;
    }
}

static void dx_patch_p_hash_result(dx_patch_p_blake3 *h, uint8_t *hash)
{
    uint32_t flags = h->blocks_ == 0 ? (uint32_t)DX_PATCH_P_B3_CHUNK_START : 0u, out[16], cv[8];
    uint8_t pair[64];
    unsigned i, left = h->stack_size_;
    flags |= (uint32_t)DX_PATCH_P_B3_CHUNK_END | (left ? 0u : (uint32_t)DX_PATCH_P_B3_ROOT);
    DX_PATCH_MEMSET(h->block_ + h->block_size_, 0, 64u - h->block_size_);
    dx_patch_p_blake3_compress(out, h->cv_, h->block_, h->block_size_, h->chunk_, flags);
    DX_PATCH_MEMCPY(cv, out, 32);
    while (left--) {
        DX_PATCH_MEMCPY(pair, h->stack_ + 32u * left, 32);
        for (i = 0; i < 8; i++) dx_patch_p_store32(pair + 32 + 4 * i, cv[i]);
        dx_patch_p_hash_parent(cv, pair, left ? 0u : (uint32_t)DX_PATCH_P_B3_ROOT);
    }
    for (i = 0; i < 8; i++) dx_patch_p_store32(hash + 4 * i, cv[i]);
}

/* The caller's hasher where there is one. */
static void dx_patch_p_hash_start(const dx_patch_hasher *x, dx_patch_p_blake3 *h)
{
    if (x->start) x->start(x->user);
    else dx_patch_p_hash_reset(h);
}

static void dx_patch_p_hash_update(const dx_patch_hasher *x, dx_patch_p_blake3 *h,
                                   const void *data, size_t size)
{
    if (!size) return;
    if (x->start) x->update(x->user, data, size);
    else dx_patch_p_hash_more(h, (const uint8_t *)data, size);
}

static void dx_patch_p_hash_finish(const dx_patch_hasher *x, dx_patch_p_blake3 *h, uint8_t *hash)
{
    if (x->start) x->finish(x->user, hash);
    else dx_patch_p_hash_result(h, hash);
}

static void dx_patch_p_hash_all(const dx_patch_hasher *x, const void *data, size_t size,
                                uint8_t *hash)
{
    dx_patch_p_blake3 h;
    dx_patch_p_hash_start(x, &h);
    dx_patch_p_hash_update(x, &h, data, size);
    dx_patch_p_hash_finish(x, &h, hash);
}

static bool dx_patch_p_hasher_is_sane(const dx_patch_hasher *x)
{
    return (x->start && x->update && x->finish) || (!x->start && !x->update && !x->finish);
}

/* >>header ------------------------------------------------------------- */
static void dx_patch_p_store_header(uint8_t *p, const dx_patch_header *h)
{
    DX_PATCH_MEMSET(p, 0, DX_PATCH_HEADER_SIZE);
    DX_PATCH_MEMCPY(p, "DXP1", 4);
    p[4] = 1;
    p[5] = h->kind;
    p[6] = 1;
    p[7] = h->coding;
    dx_patch_p_store64(p + 8, h->base_size);
    dx_patch_p_store64(p + 16, h->target_size);
    dx_patch_p_store64(p + 24, h->body_size);
    dx_patch_p_store32(p + 32, h->block_size);
    dx_patch_p_store32(p + 36, h->reversible ? 1u : 0u);
    dx_patch_p_store64(p + 40, h->memory_size);
    DX_PATCH_MEMCPY(p + 48, h->base_hash, DX_PATCH_HASH_SIZE);
    DX_PATCH_MEMCPY(p + 80, h->target_hash, DX_PATCH_HASH_SIZE);
    dx_patch_p_store32(p + 112, h->body_crc);
    dx_patch_p_store32(p + 116, h->trailer_size);
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
}

static bool dx_patch_p_is_block_size(uint32_t n)
{
    return n >= 64 && n <= 65536 && (n & (n - 1)) == 0;
}

static int dx_patch_p_check_header(const dx_patch_header *h, uint32_t flags)
{
    bool blocks = h->kind == DX_PATCH_KIND_BLOCKS, flash = h->kind == DX_PATCH_KIND_FLASH;
    if (!blocks && !flash && h->kind != DX_PATCH_KIND_DELTA) return DX_PATCH_EVERSION;
    if (h->hash_kind != 1 || h->coding > DX_PATCH_CODING_BRIEF || flags > 1)
        return DX_PATCH_EVERSION;
    if (h->base_size >> 62 || h->target_size >> 62 || h->body_size >> 62)
        return DX_PATCH_EHEADER;
    if (flash) {
        bool page = h->block_size >= 256 && h->block_size <= 1u << 20 && !h->reversible;
        page = page && !(h->block_size & (h->block_size - 1)) && h->coding == DX_PATCH_CODING_RANGE;
        return page && !((h->base_size | h->target_size) >> 30) ? DX_PATCH_OK : DX_PATCH_EHEADER;
    }
    if (blocks ? !dx_patch_p_is_block_size(h->block_size) : h->block_size != 0)
        return DX_PATCH_EHEADER;
    if (blocks ? h->coding % 3 : h->reversible || h->coding > DX_PATCH_CODING_ZSTD)
        return DX_PATCH_EHEADER;
    if (blocks && h->target_size >= h->base_size && !h->reversible) return DX_PATCH_EHEADER;
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_info(const void *bytes, size_t size, dx_patch_header *header)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_patch_header h;
    int error;
    if (!header || (!bytes && size)) return DX_PATCH_EINVAL;
    if (size < DX_PATCH_HEADER_SIZE) return DX_PATCH_ETRUNCATED;
    if (DX_PATCH_MEMCMP(p, "DXP", 3) != 0) return DX_PATCH_EHEADER;
    if (dx_patch_p_load32(p + 124) != dx_patch_p_crc32c(0, p, 124)) return DX_PATCH_EHEADER;
    if (p[3] != '1' || p[4] != 1) return DX_PATCH_EVERSION;
    DX_PATCH_MEMSET(&h, 0, sizeof h);
    h.version = p[4];
    h.kind = p[5];
    h.hash_kind = p[6];
    h.coding = p[7];
    h.base_size = dx_patch_p_load64(p + 8);
    h.target_size = dx_patch_p_load64(p + 16);
    h.body_size = dx_patch_p_load64(p + 24);
    h.block_size = dx_patch_p_load32(p + 32);
    h.reversible = (p[36] & 1) != 0;
    h.memory_size = dx_patch_p_load64(p + 40);
    DX_PATCH_MEMCPY(h.base_hash, p + 48, DX_PATCH_HASH_SIZE);
    DX_PATCH_MEMCPY(h.target_hash, p + 80, DX_PATCH_HASH_SIZE);
    h.body_crc = dx_patch_p_load32(p + 112);
    h.trailer_size = dx_patch_p_load32(p + 116);
    error = dx_patch_p_check_header(&h, dx_patch_p_load32(p + 36));
    if (!error && dx_patch_p_load32(p + 120) != 0) error = DX_PATCH_EVERSION;
    if (!error) *header = h;
    return error;
}

/* >>coder: an adaptive binary range coder ---------------------------------
   Carry-less decoding of the LZMA kind. A model is a pair of 16-bit probabilities of a zero bit,
   a fast and a slow one; their mean is used. Both learn faster at first where bits are counted. */
#define DX_PATCH_P_NUMBER 128u /* models of one kind of number: bit length, two leading bits */
#define DX_PATCH_P_N_SETUP 0u
#define DX_PATCH_P_N_GAP 1u    /* literal bytes before a cover */
#define DX_PATCH_P_N_LENGTH 2u /* bytes of a cover */
#define DX_PATCH_P_N_JUMP 3u   /* how far its old offset is from where the last one would go on */
#define DX_PATCH_P_N_RUN 4u    /* 4..6: right bytes before a wrong one, by the run before */
#define DX_PATCH_P_N_FIX 7u    /* 7..9: by how much a predicted field is wrong */
#define DX_PATCH_P_N_SIZE 10u  /* bytes that literals repeat of earlier ones */
#define DX_PATCH_P_N_BACK 11u  /* how far back among the literals these are */
#define DX_PATCH_P_NUMBERS 12u
#define DX_PATCH_P_M_FLAG (DX_PATCH_P_NUMBERS * DX_PATCH_P_NUMBER)
#define DX_PATCH_P_M_ID (DX_PATCH_P_M_FLAG + 64u)
#define DX_PATCH_P_M_REPEAT (DX_PATCH_P_M_ID + 64u) /* a repeat? as far back? */
#define DX_PATCH_P_M_BYTE (DX_PATCH_P_M_REPEAT + 4u) /* wrong bytes, then literal bytes */

static uint32_t dx_patch_p_model_count(uint32_t literal_bits, uint32_t diff_bits)
{
    return DX_PATCH_P_M_BYTE + (256u << literal_bits) + (256u << diff_bits);
}

static uint32_t dx_patch_p_probability(const uint16_t *m) /* of a zero, 12 bits, never 0 */
{
    return ((uint32_t)m[0] + m[1]) >> 5;
}

static void dx_patch_p_adapt(uint16_t *m, uint8_t *count, uint32_t bit)
{
    static const char shifts[] = "1223333444444445555555555555555"
                                 "666666666666666666666666666666667"; /* by bits seen */
    uint32_t slow = count ? (uint32_t)(shifts[*count] - '0') : 7, fast = slow < 4 ? slow : 4;
    if (count && *count < 63) ++*count;
    if (bit) {
        m[0] = (uint16_t)(m[0] - (m[0] >> fast));
        m[1] = (uint16_t)(m[1] - (m[1] >> slow));
    } else {
        m[0] = (uint16_t)(m[0] + ((65536u - m[0]) >> fast));
        m[1] = (uint16_t)(m[1] + ((65536u - m[1]) >> slow));
    }
}

static void dx_patch_p_models_start(uint16_t *m, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < 2 * count; i++) m[i] = 32768;
}

static uint8_t dx_patch_p_get_raw(dx_patch_p_decoder *d)
{
    if (d->source_at_ < d->source_size_) return d->source_[d->source_at_++];
    d->past_end_ = true;
    return 0;
}

static void dx_patch_p_normalise(dx_patch_p_decoder *d)
{
    while (d->range_ < 1u << 24) {
        d->range_ <<= 8;
        d->code_ = d->code_ << 8 | dx_patch_p_get_raw(d);
    }
}

static uint32_t dx_patch_p_get_bit(dx_patch_p_decoder *d, uint32_t model)
{
    uint16_t *m = d->models_ + 2 * model;
    uint32_t bound, bit;
    bound = (d->range_ >> 12) * dx_patch_p_probability(m);
    bit = d->code_ >= bound;
    if (bit) d->code_ -= bound;
    d->range_ = bit ? d->range_ - bound : bound;
    dx_patch_p_adapt(m, d->counts_ ? d->counts_ + model : NULL, bit);
    dx_patch_p_normalise(d);
    return bit;
}

/* A value of so many bits, the highest first, each with a model of its own. */
static uint32_t dx_patch_p_get_tree(dx_patch_p_decoder *d, uint32_t model, unsigned bits)
{
    uint32_t node = 1;
    unsigned i;
    if (!d->range_) return dx_patch_p_get_raw(d); /* plain coding */
    for (i = 0; i < bits; i++) node = node << 1 | dx_patch_p_get_bit(d, model + node);
    return node - (1u << bits);
}

/* LEB128: seven bits a byte, the lowest first. Bits above 64 are an error. */
static uint64_t dx_patch_p_get_varint(dx_patch_p_decoder *d)
{
    uint64_t v = 0;
    unsigned shift;
    for (shift = 0; shift < 64; shift += 7) {
        uint8_t b = dx_patch_p_get_raw(d);
        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return v;
    }
    d->bad_number_ = true;
    return 0;
}

static uint32_t dx_patch_p_number_model(uint32_t which, uint32_t length, uint32_t lead)
{
    return which * DX_PATCH_P_NUMBER + 64 + (length < 15 ? length : 15) * 4 + lead;
}

/* Elias gamma of v + 1: the bit length by a tree, two leading bits by models, the rest evenly. */
static uint64_t dx_patch_p_get_number(dx_patch_p_decoder *d, uint32_t which)
{
    uint32_t length, i, lead = 1;
    uint64_t v;
    if (!d->range_) return dx_patch_p_get_varint(d);
    length = dx_patch_p_get_tree(d, which * DX_PATCH_P_NUMBER, 6);
    v = 1;
    for (i = 0; i < length; i++) {
        uint32_t bit;
        if (i < 2) {
            bit = dx_patch_p_get_bit(d, dx_patch_p_number_model(which, length, lead));
            lead = lead << 1 | bit;
        } else {
            d->range_ >>= 1;
            bit = d->code_ >= d->range_;
            if (bit) d->code_ -= d->range_;
            dx_patch_p_normalise(d);
        }
        v = v << 1 | bit;
    }
    return v - 1;
}

/* Signed numbers travel as 0, -1, 1, -2, 2, .. ; a difference of addresses wraps on purpose. */
static uint64_t dx_patch_p_fold(uint64_t v)
{
    return v << 1 ^ (v >> 63 ? UINT64_MAX : 0);
}

static uint64_t dx_patch_p_unfold(uint64_t v)
{
    return v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
}

/* >>predict: references follow what they point to ---------------------------
   A map of covers tells where an old offset went. Segments turn offsets into addresses and back.
   Nothing here can fail: any numbers give some prediction, and only the patch says it is right. */
#define DX_PATCH_P_BLOCK 1024u /* bytes of a cover that share a predictor */
#define DX_PATCH_P_BEFORE 4u   /* old bytes in front of a block that a predictor may look at */
#define DX_PATCH_P_AFTER 8u    /* and behind it */
#define DX_PATCH_P_WINDOW (DX_PATCH_P_BEFORE + DX_PATCH_P_BLOCK + DX_PATCH_P_AFTER)

#define DX_PATCH_P_ID_NONE 0u
#define DX_PATCH_P_ID_X86 1u     /* call, jmp, jcc and operands relative to the next instruction */
#define DX_PATCH_P_ID_POINTER 2u /* aligned 64-bit addresses */
#define DX_PATCH_P_ID_NEAR 3u    /* aligned 32-bit addresses relative to themselves */
#define DX_PATCH_P_ID_TABLE 4u   /* aligned 32-bit addresses */
#define DX_PATCH_P_ID_BASED 5u   /* aligned 32-bit addresses relative to the base of the setup */
#define DX_PATCH_P_ID_WASM 6u    /* WebAssembly: LEB128 numbers behind their opcodes */
#define DX_PATCH_P_IDS 7u
#define DX_PATCH_P_MEMORY 1024u  /* corrections that are remembered, by region of the target */

typedef struct dx_patch_p_field {
    uint32_t size; /* bytes; 0: no field here */
    uint32_t sure; /* 1: its target lies in a cover */
    uint32_t slot; /* of the correction that was added; DX_PATCH_P_MEMORY: none */
    uint64_t value;
} dx_patch_p_field;

static uint64_t dx_patch_p_address(const dx_patch_p_predictor *p, int side, uint64_t offset)
{
    uint32_t i;
    for (i = 0; i < p->segment_count_[side]; i++) {
        const uint64_t *s = p->segments_[side][i];
        if (offset - s[0] < s[2]) return s[1] + (offset - s[0]);
    }
    return offset;
}

/* The last cover that starts at or before an old offset says by how much it moved. */
static uint64_t dx_patch_p_map_offset(const dx_patch_p_predictor *p, uint64_t offset,
                                      uint32_t *sure)
{
    uint32_t low = 0, high = p->count_;
    const uint32_t *cover;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->covers_[3 * p->order_[middle] + 1] <= offset) low = middle + 1;
        else high = middle;
    }
    if (!p->count_) return offset;
    cover = p->covers_ + 3 * p->order_[low ? low - 1 : 0];
    *sure = offset - cover[1] < cover[2];
    return offset - cover[1] + cover[0];
}

/* Where an old address points to in the new file; false: it is no address. */
static bool dx_patch_p_map_address(const dx_patch_p_predictor *p, uint64_t address,
                                   uint64_t *mapped, uint32_t *sure)
{
    uint32_t i;
    for (i = 0; i < p->segment_count_[0]; i++) {
        const uint64_t *s = p->segments_[0][i];
        uint64_t d = address - s[1];
        if (d >= s[3]) continue;
        *sure = 0;
        if (d < s[2]) {
            *mapped = dx_patch_p_address(p, 1, dx_patch_p_map_offset(p, s[0] + d, sure));
        } else if (i < p->segment_count_[1]) { /* zeros that lie in no file: behind its end */
            const uint64_t *t = p->segments_[1][i];
            *mapped = t[1] + t[2] + (d - s[2]);
        } else {
            *mapped = address;
        }
        return true;
    }
    return false;
}

/* Can a field stand at p, so many bytes behind the last one? Asked for every byte, so quick. */
static bool dx_patch_p_may_be_field(uint32_t id, const uint8_t *p, uint64_t old_at, uint32_t since)
{
    if (id == DX_PATCH_P_ID_X86) {
        uint32_t last = p[-1];
        if (since < 1) return false;
        if ((last & 0xfe) == 0xe8) return true;
        if (since < 2) return false;
        return (last & 0xc7) == 0x05 || ((last & 0xf0) == 0x80 && p[-2] == 0x0f);
    }
    if (id == DX_PATCH_P_ID_WASM) /* call, global.get, global.set, i32.const */
        return since && (p[-1] == 0x10 || p[-1] == 0x23 || p[-1] == 0x24 || p[-1] == 0x41);
    return id && (old_at & (id == DX_PATCH_P_ID_POINTER ? 7u : 3u)) == 0;
}

/* Fields are little-endian numbers, or for WebAssembly LEB128, its top bits above all others. */
static uint64_t dx_patch_p_load_field(const uint8_t *p, uint32_t id, uint32_t size)
{
    uint64_t v = 0, top = 0;
    uint32_t i;
    if (id != DX_PATCH_P_ID_WASM) return size == 8 ? dx_patch_p_load64(p) : dx_patch_p_load32(p);
    for (i = size; i-- > 0; top = top << 1 | p[i] >> 7) v = v << 7 | (p[i] & 127u);
    return v | top << 7 * size;
}

static void dx_patch_p_store_field(uint8_t *p, uint32_t id, uint32_t size, uint64_t v)
{
    uint32_t i;
    for (i = 0; i < size; i++)
        p[i] = (uint8_t)(id != DX_PATCH_P_ID_WASM ? v >> 8 * i & 255
                                                  : (v >> 7 * i & 127) |
                                                        (v >> (7 * size + i) & 1) << 7);
}

/* Only so many bits of it, the highest one being the sign. */
static uint64_t dx_patch_p_sign(uint64_t v, uint32_t bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return ((v & (sign - 1 + sign)) ^ sign) - sign;
}

/* A field that points to an old address, if it is one. */
static void dx_patch_p_follow(const dx_patch_p_predictor *x, dx_patch_p_field *f, uint32_t size,
                              uint64_t address, uint64_t origin)
{
    uint64_t mapped;
    if (!dx_patch_p_map_address(x, address, &mapped, &f->sure)) return;
    f->size = size;
    f->slot = (uint32_t)(((address >> x->region_bits_) * 0x9e3779b97f4a7c15u) >> 54);
    f->value = mapped + dx_patch_p_sign(x->memory_[f->slot], 32) - origin;
    if (size == 4) f->value &= 0xffffffffu;
}

/* A LEB128 number behind an opcode: those like it have changed by as much. */
static void dx_patch_p_follow_leb(const dx_patch_p_predictor *x, dx_patch_p_field *f,
                                  const uint8_t *p)
{
    uint32_t size = 1, op = p[-1];
    uint64_t old, mask, key;
    while (size < 5 && p[size - 1] & 128) size++;
    if (p[size - 1] & 128 || (size == 1 && op != 0x10)) return;
    old = dx_patch_p_load_field(p, DX_PATCH_P_ID_WASM, size);
    mask = ((uint64_t)1 << 7 * size) - 1;
    key = ((old & mask) << 2 | (uint64_t)op << 40) >> x->region_bits_;
    f->size = size;
    f->slot = (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 54);
    f->value = (old & ~mask) | ((old + dx_patch_p_sign(x->memory_[f->slot], 32)) & mask);
}

/* The field at p, which is old byte old_at, when it becomes new byte new_at. */
static dx_patch_p_field dx_patch_p_predict(const dx_patch_p_predictor *x, uint32_t id,
                                           const uint8_t *p, uint64_t old_at, uint64_t new_at)
{
    dx_patch_p_field f = {0, 0, DX_PATCH_P_MEMORY, 0};
    uint64_t old_address = old_at + x->bias_[0], new_address = new_at + x->bias_[1], value;
    uint32_t word = dx_patch_p_load32(p);
    uint64_t distance = dx_patch_p_sign(word, 32);
    if (id == DX_PATCH_P_ID_X86) {
        dx_patch_p_follow(x, &f, 4, old_address + 4 + distance, new_address + 4);
    } else if (id == DX_PATCH_P_ID_POINTER) {
        value = dx_patch_p_load64(p);
        if (value >= 256) dx_patch_p_follow(x, &f, 8, value, 0);
    } else if (id == DX_PATCH_P_ID_NEAR) {
        if (((word + 0x10000u) & 0xffffffffu) >= 0x20000u)
            dx_patch_p_follow(x, &f, 4, old_address + distance, new_address);
    } else if (id == DX_PATCH_P_ID_WASM) {
        dx_patch_p_follow_leb(x, &f, p);
    } else if (id == DX_PATCH_P_ID_BASED) {
        dx_patch_p_follow(x, &f, 4, x->origin_[0] + distance, x->origin_[1]);
    } else if (word >= 256) {
        dx_patch_p_follow(x, &f, 4, word, 0);
    }
    return f;
}

/* After a field: whether it was right is remembered, and by how much it was wrong. */
static void dx_patch_p_learn(dx_patch_p_predictor *x, const dx_patch_p_field *f, uint64_t value)
{
    x->flags_ = (x->flags_ << 1 | (f->value != value)) & 3;
    if (f->slot < DX_PATCH_P_MEMORY)
        x->memory_[f->slot] += (uint32_t)((value - f->value) & 0xffffffffu);
}

static uint32_t dx_patch_p_flag_model(const dx_patch_p_predictor *x, uint32_t id,
                                      const dx_patch_p_field *f)
{
    return DX_PATCH_P_M_FLAG + (id * 2 + f->sure) * 4 + x->flags_;
}

static uint32_t dx_patch_p_fix_number(uint32_t id)
{
    if (id == DX_PATCH_P_ID_X86) return DX_PATCH_P_N_FIX;
    return DX_PATCH_P_N_FIX + (id == DX_PATCH_P_ID_POINTER ? 1u : 2u);
}

/* Sort the cover indexes by old offset, then by index: heap sort, no extra memory. */
static bool dx_patch_p_comes_before(const dx_patch_p_predictor *p, uint32_t a, uint32_t b)
{
    uint32_t x = p->covers_[3 * a + 1], y = p->covers_[3 * b + 1];
    return x < y || (x == y && a < b);
}

static void dx_patch_p_sift(dx_patch_p_predictor *p, uint32_t at, uint32_t count)
{
    uint32_t *v = p->order_, child, moved = v[at];
    for (; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && dx_patch_p_comes_before(p, v[child], v[child + 1])) child++;
        if (!dx_patch_p_comes_before(p, moved, v[child])) break;
        v[at] = v[child];
    }
    v[at] = moved;
}

static void dx_patch_p_sort_covers(dx_patch_p_predictor *p)
{
    uint32_t i, last;
    for (i = 0; i < p->count_; i++) p->order_[i] = i;
    for (i = p->count_ / 2; i-- > 0;) dx_patch_p_sift(p, i, p->count_);
    for (last = p->count_; last-- > 1;) {
        uint32_t top = p->order_[0];
        p->order_[0] = p->order_[last];
        p->order_[last] = top;
        dx_patch_p_sift(p, 0, last);
    }
}

/* The contexts of wrong bytes and of runs of right ones. */
static uint32_t dx_patch_p_diff_context(uint32_t diff_bits, uint32_t run, uint32_t last_diff)
{
    uint32_t c = (run ? 0u : 1u) | (last_diff & 128 ? 4u : 0u);
    if (last_diff == 0 || last_diff == 1 || last_diff == 255) c |= 2;
    return c & ((1u << diff_bits) - 1);
}

static uint32_t dx_patch_p_run_number(uint32_t run)
{
    return DX_PATCH_P_N_RUN + (run == 0 ? 0u : run < 8 ? 1u : 2u);
}

/* >>writer: the other side of the coder ------------------------------------- */
#define DX_PATCH_P_COUNT 0 /* only add up what it would cost */
#define DX_PATCH_P_PLAIN 1
#define DX_PATCH_P_RANGE 2

typedef struct dx_patch_p_writer {
    int mode;
    bool overflow, any;  /* any: the first byte, which is always zero, is left out */
    uint8_t cache, price[128];
    uint8_t *out;
    size_t capacity, size;
    uint32_t range;
    uint64_t low, pending, cost; /* cost: in sixteenths of a bit */
    uint16_t *models;
    uint8_t *counts;
} dx_patch_p_writer;

/* price[p / 32] is -log2(p / 4096) in sixteenths of a bit, by squaring, without floats. */
static void dx_patch_p_prices(uint8_t *price)
{
    uint32_t i, j;
    for (i = 0; i < 128; i++) {
        uint32_t w = i * 32 + 16, bits = 0;
        for (j = 0; j < 4; j++) {
            w *= w;
            bits <<= 1;
            while (w >= 1u << 16) {
                w >>= 1;
                bits++;
            }
        }
        price[i] = (uint8_t)((12u << 4) - 15 - bits);
    }
}

static void dx_patch_p_writer_start(dx_patch_p_writer *w, int mode, uint8_t *out, size_t capacity)
{
    w->mode = mode;
    w->overflow = w->any = false;
    w->cache = 0;
    w->out = out;
    w->capacity = capacity;
    w->size = 0;
    w->range = 0xffffffffu;
    w->low = 0;
    w->pending = 1;
}

static void dx_patch_p_put_raw(dx_patch_p_writer *w, uint32_t byte)
{
    if (w->size == w->capacity) w->overflow = true;
    else w->out[w->size++] = (uint8_t)(byte & 255);
}

/* The top byte leaves; bytes of 255 wait until it is known whether a carry runs through them. */
static void dx_patch_p_shift_low(dx_patch_p_writer *w)
{
    uint32_t carry = (uint32_t)(w->low >> 32);
    if (w->low < 0xff000000u || carry) {
        for (; w->pending; w->pending--) {
            if (w->any) dx_patch_p_put_raw(w, w->cache + carry);
            w->any = true;
            w->cache = 255;
        }
        w->cache = (uint8_t)(w->low >> 24 & 255);
    }
    w->pending++;
    w->low = w->low << 8 & 0xffffffffu;
}

static void dx_patch_p_put_even(dx_patch_p_writer *w, uint32_t bit)
{
    if (w->mode == DX_PATCH_P_COUNT) {
        w->cost += 16;
        return;
    }
    w->range >>= 1;
    if (bit) w->low += w->range;
    while (w->range < 1u << 24) {
        w->range <<= 8;
        dx_patch_p_shift_low(w);
    }
}

static void dx_patch_p_put_bit(dx_patch_p_writer *w, uint32_t model, uint32_t bit)
{
    uint16_t *m = w->models + 2 * model;
    uint32_t p = dx_patch_p_probability(m), bound;
    if (w->mode == DX_PATCH_P_COUNT) {
        w->cost += w->price[(bit ? 4096 - p : p) >> 5];
        return;
    }
    bound = (w->range >> 12) * p;
    if (bit) w->low += bound;
    w->range = bit ? w->range - bound : bound;
    dx_patch_p_adapt(m, w->counts ? w->counts + model : NULL, bit);
    while (w->range < 1u << 24) {
        w->range <<= 8;
        dx_patch_p_shift_low(w);
    }
}

static void dx_patch_p_put_tree(dx_patch_p_writer *w, uint32_t model, unsigned bits, uint32_t v)
{
    uint32_t node = 1;
    while (bits-- > 0) {
        uint32_t bit = v >> bits & 1;
        dx_patch_p_put_bit(w, model + node, bit);
        node = node << 1 | bit;
    }
}

static void dx_patch_p_put_varint(dx_patch_p_writer *w, uint64_t v)
{
    for (; v > 127; v >>= 7) dx_patch_p_put_raw(w, (uint32_t)(v & 127) | 128u);
    dx_patch_p_put_raw(w, (uint32_t)v);
}

static void dx_patch_p_put_number(dx_patch_p_writer *w, uint32_t which, uint64_t v)
{
    uint32_t length = 0, lead = 1, i;
    while (length < 63 && (v + 1) >> (length + 1)) length++;
    dx_patch_p_put_tree(w, which * DX_PATCH_P_NUMBER, 6, length);
    for (i = 0; i < length; i++) {
        uint32_t bit = (uint32_t)((v + 1) >> (length - 1 - i) & 1);
        if (i < 2) {
            dx_patch_p_put_bit(w, dx_patch_p_number_model(which, length, lead), bit);
            lead = lead << 1 | bit;
        } else {
            dx_patch_p_put_even(w, bit);
        }
    }
}

static void dx_patch_p_writer_finish(dx_patch_p_writer *w)
{
    int i;
    for (i = 0; i < 5; i++) dx_patch_p_shift_low(w);
}

/* >>covers: what of the target can be made from where in the base -------------- */
#define DX_PATCH_P_SEED 8u     /* bytes that a hash covers */
#define DX_PATCH_P_DEPTH 6u     /* candidates that are compared */
#define DX_PATCH_P_LOOK 128u    /* compare no more bytes of a candidate than this */
#define DX_PATCH_P_REACH 65536u /* extend so far at a time: what is cut again soon costs no more */
#define DX_PATCH_P_SAME 4       /* bytes that a cover must save when it goes on as the last one, */
#define DX_PATCH_P_OTHER 14     /* when it is from elsewhere, */
#define DX_PATCH_P_FAR 32       /* and when the base is large, so that elsewhere costs more */
#define DX_PATCH_P_DROP 48      /* give up an extension that fell so far below its best */

typedef struct dx_patch_p_cover {
    uint64_t new_at, old_at, size;
} dx_patch_p_cover;

typedef struct dx_patch_p_finder {
    const uint8_t *base, *target;
    size_t base_size, target_size, stride;
    uint32_t *table; /* old offset / stride + 1, by hash: the first one */
    uint32_t *chain; /* the next one with this hash, by old offset / stride */
    size_t table_count;
    dx_patch_p_cover *covers;
    size_t cover_count, cover_capacity;
    uint64_t work; /* bytes that extending has looked at */
    bool open; /* the last cover ends where looking ahead ended, so it may go on */
} dx_patch_p_finder;

static size_t dx_patch_p_slot(const dx_patch_p_finder *f, const uint8_t *p)
{
    uint64_t h = dx_patch_p_load64(p) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    return (size_t)((h >> 32) * f->table_count >> 32);
}

/* From the end on, so that of equal seeds the first one comes first. */
static void dx_patch_p_index(dx_patch_p_finder *f)
{
    size_t i;
    DX_PATCH_MEMSET(f->table, 0, f->table_count * sizeof *f->table);
    if (f->base_size < DX_PATCH_P_SEED) return;
    for (i = (f->base_size - DX_PATCH_P_SEED) / f->stride + 1; i-- > 0;) {
        uint32_t *slot = f->table + dx_patch_p_slot(f, f->base + i * f->stride);
        f->chain[i] = *slot;
        *slot = (uint32_t)(i + 1);
    }
}

/* How far a and b are worth being called alike: where +1 a right, -1 a wrong byte is highest. */
static size_t dx_patch_p_extend(const uint8_t *a, const uint8_t *b, size_t size, bool back,
                                long *gain, bool *dropped)
{
    size_t i = 0, best = 0;
    long score = 0;
    *gain = 0;
    while (i < size && score >= *gain - DX_PATCH_P_DROP) {
        if (!back && size - i >= 8 && DX_PATCH_MEMCMP(a + i, b + i, 8) == 0) {
            score += 8;
            i += 8;
        } else {
            i++;
            score += (back ? *(a - i) == *(b - i) : a[i - 1] == b[i - 1]) ? 1 : -1;
        }
        if (score > *gain) {
            *gain = score;
            best = i;
        }
    }
    *dropped = i < size;
    return best;
}

/* Bytes that are equal from the start on. */
static size_t dx_patch_p_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;
    while (size - i >= 8 && DX_PATCH_MEMCMP(a + i, b + i, 8) == 0) i += 8;
    while (i < size && a[i] == b[i]) i++;
    return i;
}

/* Cut the last cover where the next one, which reaches back over it, starts to be better. */
static void dx_patch_p_cut(const dx_patch_p_finder *f, dx_patch_p_cover *last,
                           dx_patch_p_cover *next)
{
    uint64_t end = last->new_at + last->size, i, best = 0;
    uint64_t overlap = end - next->new_at < next->size ? end - next->new_at : next->size;
    long score = 0, top = 0;
    for (i = 0; i < overlap; i++) {
        uint8_t byte = f->target[next->new_at + i];
        score += f->base[last->old_at + (next->new_at - last->new_at) + i] == byte ? 1 : 0;
        score -= f->base[next->old_at + i] == byte ? 1 : 0;
        if (score > top) {
            top = score;
            best = i + 1;
        }
    }
    last->size = next->new_at + best - last->new_at;
    next->new_at += best;
    next->old_at += best;
    next->size -= best;
}

/* How far an extension may look. */
static size_t dx_patch_p_reach(const dx_patch_p_finder *f, size_t new_at, size_t old_at)
{
    size_t room = f->target_size - new_at;
    size_t reach = f->work > 16 * ((uint64_t)new_at + 65536) ? 64 : DX_PATCH_P_REACH;
    if (room > f->base_size - old_at) room = f->base_size - old_at;
    return room < reach ? room : reach;
}

/* Make the last cover longer until it ends for good or clearly behind target byte i. */
static void dx_patch_p_lengthen(dx_patch_p_finder *f, size_t i)
{
    dx_patch_p_cover *last = f->covers + f->cover_count - 1;
    while (f->cover_count && f->open && i + DX_PATCH_P_LOOK > last->new_at + last->size) {
        size_t new_at = (size_t)(last->new_at + last->size), more;
        size_t old_at = (size_t)(last->old_at + last->size);
        bool dropped;
        long gain;
        more = dx_patch_p_extend(f->target + new_at, f->base + old_at,
                                 dx_patch_p_reach(f, new_at, old_at), false, &gain, &dropped);
        last->size += more;
        f->open = more && !dropped;
    }
}

/* Take the match at (new_at, old_at) as a cover if it saves more than it costs. */
static bool dx_patch_p_take(dx_patch_p_finder *f, size_t new_at, size_t old_at, long least)
{
    dx_patch_p_cover c, *last = f->cover_count ? f->covers + f->cover_count - 1 : NULL;
    size_t back = last ? new_at - (size_t)last->new_at : new_at;
    size_t reach = dx_patch_p_reach(f, new_at, old_at), front;
    long gain, gain_back;
    bool dropped, ended;
    front = dx_patch_p_extend(f->target + new_at, f->base + old_at, reach, false, &gain, &dropped);
    if (back > old_at) back = old_at;
    if (back > DX_PATCH_P_REACH) back = DX_PATCH_P_REACH;
    if (f->work > 16 * ((uint64_t)new_at + 65536) && back > 64) back = 64;
    back = dx_patch_p_extend(f->target + new_at, f->base + old_at, back, true, &gain_back, &ended);
    f->work += front + 8 * back;
    if (gain + gain_back < least) return false;
    c.new_at = new_at - back;
    c.old_at = old_at - back;
    c.size = front + back;
    if (last && c.new_at <= last->new_at + last->size &&
        c.old_at - c.new_at == last->old_at - last->new_at) { /* the same one, it goes on */
        if (c.new_at + c.size > last->new_at + last->size)
            last->size = c.new_at + c.size - last->new_at;
        f->open = !dropped;
        return true;
    }
    if (last && c.new_at < last->new_at + last->size) {
        dx_patch_p_cover shorter = *last;
        dx_patch_p_cut(f, &shorter, &c);
        if (c.size < 12) return false;
        if (shorter.size) *last = shorter;
        else f->cover_count--;
    }
    f->covers[f->cover_count++] = c;
    f->open = !dropped;
    return true;
}

/* Where the last cover would go on at target byte i: how many bytes are right there. */
static size_t dx_patch_p_run_on(const dx_patch_p_finder *f, size_t i, size_t *old_at)
{
    const dx_patch_p_cover *last = f->covers + f->cover_count - 1;
    size_t room = f->target_size - i;
    if (!f->cover_count) return 0;
    *old_at = (size_t)(last->old_at + (i - last->new_at));
    if (*old_at >= f->base_size) return 0;
    if (room > f->base_size - *old_at) room = f->base_size - *old_at;
    return dx_patch_p_same(f->target + i, f->base + *old_at, room);
}

/* The seed in the base with which most bytes from target byte i on are equal. */
static bool dx_patch_p_look_up(const dx_patch_p_finder *f, size_t i, size_t *old_at, size_t *size)
{
    const dx_patch_p_cover *last = f->covers + f->cover_count - 1;
    size_t k, right = 0;
    bool lost = i > 8192 && (!f->cover_count || i - 8192 > last->new_at + last->size);
    uint32_t depth = lost ? 1 : DX_PATCH_P_DEPTH, at = f->table[dx_patch_p_slot(f, f->target + i)];
    *size = 0;
    for (; at && depth; depth--) {
        size_t from = (at - 1) * f->stride, room = f->target_size - i, same;
        if (room > f->base_size - from) room = f->base_size - from;
        if (room > DX_PATCH_P_LOOK) room = DX_PATCH_P_LOOK;
        same = dx_patch_p_same(f->target + i, f->base + from, room);
        if (same > *size) {
            *size = same;
            *old_at = from;
        }
        if (same == DX_PATCH_P_LOOK) break;
        at = f->chain[at - 1];
    }
    if (*size < DX_PATCH_P_SEED) return false;
    if (!f->cover_count || i >= last->new_at + last->size) return true;
    for (k = 0; k < *size && i + k < last->new_at + last->size; k++)
        right += f->base[last->old_at + (i + k - last->new_at)] == f->target[i + k] ? 1u : 0u;
    return *size > right + 8;
}

static void dx_patch_p_find(dx_patch_p_finder *f)
{
    size_t i = 0, old_at = 0, size = 0;
    long least = f->base_size < (1u << 20) ? DX_PATCH_P_OTHER : DX_PATCH_P_FAR;
    dx_patch_p_index(f);
    f->cover_count = 0;
    f->work = 0;
    while (f->target_size >= DX_PATCH_P_SEED && i <= f->target_size - DX_PATCH_P_SEED) {
        const dx_patch_p_cover *last = f->covers + f->cover_count - 1;
        size_t run;
        if (f->cover_count && i < last->new_at) i = (size_t)last->new_at;
        dx_patch_p_lengthen(f, i);
        run = dx_patch_p_run_on(f, i, &old_at);
        if (f->cover_count == f->cover_capacity || f->target_size - i < DX_PATCH_P_SEED) break;
        if (run >= DX_PATCH_P_SEED && i < last->new_at + last->size) {
            i += run;
            continue;
        }
        if (run >= 6 && i >= last->new_at + last->size &&
            dx_patch_p_take(f, i, old_at, DX_PATCH_P_SAME)) {
            i += run;
            continue;
        }
        if (f->base_size >= DX_PATCH_P_SEED && dx_patch_p_look_up(f, i, &old_at, &size) &&
            dx_patch_p_take(f, i, old_at, least))
            i += size;
        else
            i++;
    }
    dx_patch_p_lengthen(f, f->target_size); /* a run may have led to the end */
}

/* >>create: a delta ----------------------------------------------------------- */
typedef struct dx_patch_p_plan { /* what a predictor does to one block */
    uint8_t mark[DX_PATCH_P_BLOCK + 8]; /* 0: a byte; else the size of the field that starts here */
    uint8_t model[DX_PATCH_P_BLOCK + 8]; /* of its flag, from DX_PATCH_P_M_FLAG on */
    uint64_t value[DX_PATCH_P_BLOCK + 8];
} dx_patch_p_plan;

#define DX_PATCH_P_SHORTEST 4u   /* bytes that a hash of literals covers */
#define DX_PATCH_P_ENOUGH 64u    /* a repeat of so many bytes is taken without looking further */

/* All literals so far, to find what they repeat of themselves. */
typedef struct dx_patch_p_repeats {
    uint8_t *ring;
    uint32_t *heads, *chain;
    uint32_t log, heads_log, depth, count, last_back, after; /* after: the last was a repeat */
    uint32_t misses; /* literals since the last repeat */
    uint32_t literal_price; /* sixteenths of a bit, lately */
} dx_patch_p_repeats;

typedef struct dx_patch_p_maker {
    dx_patch_p_writer writer;
    dx_patch_p_predictor predictor;
    dx_patch_p_finder finder;
    dx_patch_p_plan plan;
    dx_patch_p_repeats repeats;
    uint32_t literal_bits, diff_bits, last_id;
    uint64_t literals; /* bytes in no cover */
    bool map;
    uint32_t memory[DX_PATCH_P_MEMORY];
    uint8_t window[DX_PATCH_P_WINDOW];
} dx_patch_p_maker;

/* One block of a cover: `start` bytes are done already, `room` bytes may be touched. */
typedef struct dx_patch_p_span {
    const uint8_t *old_bytes, *new_bytes;
    uint64_t old_at, new_at;
    uint32_t start, size, room;
} dx_patch_p_span;

/* Returns the position behind the last field or byte: it may lie behind the block. */
static uint32_t dx_patch_p_make_plan(dx_patch_p_plan *plan, dx_patch_p_predictor *x, uint32_t id,
                                     const dx_patch_p_span *s)
{
    uint32_t at = s->start, since = 2;
    while (at < s->size) {
        dx_patch_p_field f = {0, 0, 0, 0};
        if (dx_patch_p_may_be_field(id, s->old_bytes + at, s->old_at + at, since))
            f = dx_patch_p_predict(x, id, s->old_bytes + at, s->old_at + at, s->new_at + at);
        if (f.size > s->room - at) f.size = 0;
        plan->mark[at] = (uint8_t)f.size;
        if (f.size) {
            plan->value[at] = f.value;
            plan->model[at] = (uint8_t)(dx_patch_p_flag_model(x, id, &f) - DX_PATCH_P_M_FLAG);
            dx_patch_p_learn(x, &f, dx_patch_p_load_field(s->new_bytes + at, id, f.size));
            at += f.size;
            since = 0;
        } else {
            at++;
            since++;
        }
    }
    return at;
}

static void dx_patch_p_put_field(dx_patch_p_maker *m, uint32_t id, uint32_t at,
                                 const dx_patch_p_span *s)
{
    const dx_patch_p_plan *plan = &m->plan;
    uint32_t size = plan->mark[at];
    uint64_t value = dx_patch_p_load_field(s->new_bytes + at, id, size);
    uint64_t error = dx_patch_p_sign(value - plan->value[at], 8 * size);
    dx_patch_p_put_bit(&m->writer, DX_PATCH_P_M_FLAG + plan->model[at], error != 0);
    if (!error) return;
    dx_patch_p_put_number(&m->writer, dx_patch_p_fix_number(id), dx_patch_p_fold(error) - 1);
}

/* Bytes outside of fields, from `at` on, that are right before the first wrong one; or all. */
static bool dx_patch_p_next_wrong(const dx_patch_p_plan *plan, const dx_patch_p_span *s,
                                  uint32_t at, uint32_t *run)
{
    *run = 0;
    while (at < s->size) {
        if (plan->mark[at]) {
            at += plan->mark[at];
            continue;
        }
        if (s->old_bytes[at] != s->new_bytes[at]) return true;
        ++*run;
        at++;
    }
    return false;
}

static void dx_patch_p_put_block(dx_patch_p_maker *m, dx_patch_p_predictor *x, uint32_t id,
                                 const dx_patch_p_span *s)
{
    uint32_t at = s->start, run = 0;
    bool known = false, wrong = false;
    dx_patch_p_put_tree(&m->writer, DX_PATCH_P_M_ID + m->last_id * 8, 3, id);
    while (at < s->size) {
        if (m->plan.mark[at]) {
            dx_patch_p_put_field(m, id, at, s);
            at += m->plan.mark[at];
            continue;
        }
        if (!known) {
            wrong = dx_patch_p_next_wrong(&m->plan, s, at, &run);
            dx_patch_p_put_number(&m->writer, dx_patch_p_run_number(x->last_run_),
                                  wrong ? run + 1 : 0);
            x->last_run_ = wrong ? run : 8;
            known = true;
        }
        if (wrong && run == 0) {
            uint32_t diff = (uint32_t)(s->new_bytes[at] - s->old_bytes[at]) & 255;
            uint32_t c = dx_patch_p_diff_context(m->diff_bits, x->last_run_, x->last_diff_);
            dx_patch_p_put_tree(&m->writer, DX_PATCH_P_M_BYTE + 256 * c, 8, diff);
            x->last_diff_ = diff;
            known = false;
        } else {
            run--;
        }
        at++;
    }
}

/* Segments from the headers of a 64-bit little-endian ELF file. */
static uint32_t dx_patch_p_find_segments(const uint8_t *p, size_t size, uint64_t (*segments)[4],
                                         uint64_t *origin)
{
    uint32_t count = 0, i;
    *origin = 0; /* -2^63 has no folded form that a number can be, and helps nobody */
    uint64_t at = size >= 64 ? dx_patch_p_load64(p + 32) : 0;
    if (size >= 64 && DX_PATCH_MEMCMP(p, "\177ELF\2\1", 6) == 0 && dx_patch_p_load16(p + 54) == 56)
        for (i = 0; i < dx_patch_p_load16(p + 56) && i < 64; i++, at += 56) {
            if (at > size || size - at < 56) break;
            if (dx_patch_p_load32(p + at) == 0x6474e550) /* PT_GNU_EH_FRAME */
                *origin = dx_patch_p_load64(p + at + 16);
            if (dx_patch_p_load32(p + at) != 1 || count == 8) continue; /* PT_LOAD */
            segments[count][0] = dx_patch_p_load64(p + at + 8);
            segments[count][1] = dx_patch_p_load64(p + at + 16);
            segments[count][2] = dx_patch_p_load64(p + at + 32);
            segments[count++][3] = dx_patch_p_load64(p + at + 40);
        }
    if (*origin == (uint64_t)1 << 63) *origin = 0;
    for (i = 0; i < 4 * count; i++)
        if (segments[i / 4][i % 4] == (uint64_t)1 << 63) segments[i / 4][i % 4] = 0;
    if (count) return count;
    segments[0][0] = segments[0][1] = 0;
    segments[0][2] = segments[0][3] = size;
    return 1;
}

static void dx_patch_p_put_cover(dx_patch_p_maker *m, size_t i)
{
    const dx_patch_p_cover *c = m->finder.covers + i, *last = i ? c - 1 : NULL;
    uint64_t new_end = last ? last->new_at + last->size : 0;
    uint64_t expected = (last ? last->old_at + last->size : 0) + (c->new_at - new_end);
    dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_GAP, c->new_at - new_end);
    dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_LENGTH, c->size - 1);
    dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_JUMP, dx_patch_p_fold(c->old_at - expected));
}

static void dx_patch_p_put_setup(dx_patch_p_maker *m)
{
    uint32_t side, i, j;
    size_t k;
    if (!m->map) return;
    dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_SETUP, m->finder.cover_count);
    for (side = 0; side < 2; side++) {
        dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_SETUP, m->predictor.segment_count_[side]);
        for (i = 0; i < m->predictor.segment_count_[side]; i++)
            for (j = 0; j < 4; j++)
                dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_SETUP,
                                      dx_patch_p_fold(m->predictor.segments_[side][i][j]));
        dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_SETUP,
                              dx_patch_p_fold(m->predictor.origin_[side]));
    }
    for (k = 0; k < m->finder.cover_count; k++) dx_patch_p_put_cover(m, k);
}

static void dx_patch_p_put_literal(dx_patch_p_maker *m, const uint8_t *p)
{
    uint32_t before = p == m->finder.target ? 0u : p[-1];
    uint32_t c = (1u << m->diff_bits) + (before >> (8 - m->literal_bits));
    if (m->repeats.log) dx_patch_p_put_bit(&m->writer, DX_PATCH_P_M_REPEAT + m->repeats.after, 0);
    dx_patch_p_put_tree(&m->writer, DX_PATCH_P_M_BYTE + 256 * c, 8, *p);
}

static void dx_patch_p_put_repeat(dx_patch_p_maker *m, uint32_t size, uint32_t back)
{
    const dx_patch_p_repeats *r = &m->repeats;
    dx_patch_p_put_bit(&m->writer, DX_PATCH_P_M_REPEAT + r->after, 1);
    dx_patch_p_put_bit(&m->writer, DX_PATCH_P_M_REPEAT + 2, back == r->last_back);
    dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_SIZE, size - 1);
    if (back != r->last_back) dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_BACK, back - 1);
}

/* Sixteenths of a bit that a literal (size 0) or a repeat costs. */
static uint32_t dx_patch_p_price(dx_patch_p_maker *m, const uint8_t *p, uint32_t size,
                                 uint32_t back)
{
    int mode = m->writer.mode;
    m->writer.mode = DX_PATCH_P_COUNT;
    m->writer.cost = 0;
    if (size) dx_patch_p_put_repeat(m, size, back);
    else dx_patch_p_put_literal(m, p);
    m->writer.mode = mode;
    return (uint32_t)m->writer.cost;
}

/* Take the repeat of the bytes that end `back` literals before literal `at` if it saves more than
   *gain; at most `left` bytes. */
static void dx_patch_p_try_repeat(dx_patch_p_maker *m, const uint8_t *p, uint32_t at, uint32_t back,
                                  uint32_t left, uint32_t *found, long *gain)
{
    const dx_patch_p_repeats *r = &m->repeats;
    uint32_t mask = (1u << r->log) - 1, i = 0;
    long saved;
    if (found[0] && r->ring[(at - back + found[0]) & mask] != p[found[0]]) return;
    while (i < left && (i < back ? r->ring[(at - back + i) & mask] : p[i - back]) == p[i]) i++;
    if (!i || i < found[0]) return;
    saved = (long)(i * r->literal_price) - (long)dx_patch_p_price(m, p, i, back);
    if (saved <= *gain) return;
    found[0] = i;
    found[1] = back;
    *gain = saved;
}

/* The best repeat at literal r->count + ahead, whose bytes start at p; `left` follow each other. */
static long dx_patch_p_look_back(dx_patch_p_maker *m, const uint8_t *p, uint32_t ahead,
                                 uint32_t left, uint32_t *found)
{
    dx_patch_p_repeats *r = &m->repeats;
    uint32_t at = r->count + ahead, most = (1u << r->log) - 1, depth = r->depth, next;
    long gain = 0;
    found[0] = 0;
    if (r->last_back && r->last_back <= at)
        dx_patch_p_try_repeat(m, p, at, r->last_back, left, found, &gain);
    if (left < DX_PATCH_P_SHORTEST) return gain;
    next = r->heads[(dx_patch_p_load32(p) * 0x9e3779b1u) >> (32 - r->heads_log)];
    while (next && depth-- && found[0] < left && found[0] < DX_PATCH_P_ENOUGH) {
        if (at - (next - 1) > most) break;
        dx_patch_p_try_repeat(m, p, at, at - (next - 1), left, found, &gain);
        next = r->chain[(next - 1) & most];
    }
    return gain;
}

static void dx_patch_p_add_literals(dx_patch_p_repeats *r, const uint8_t *p, uint32_t count,
                                    uint64_t left)
{
    uint32_t mask = (1u << r->log) - 1;
    for (; count; count--, left--, p++) {
        if (left >= DX_PATCH_P_SHORTEST) {
            uint32_t *head = r->heads +
                             ((dx_patch_p_load32(p) * 0x9e3779b1u) >> (32 - r->heads_log));
            r->chain[r->count & mask] = *head;
            *head = r->count + 1;
        }
        r->ring[r->count++ & mask] = *p;
    }
}

static void dx_patch_p_put_literals(dx_patch_p_maker *m, uint64_t from, uint64_t to)
{
    dx_patch_p_repeats *r = &m->repeats;
    while (from < to) {
        const uint8_t *p = m->finder.target + from;
        uint32_t left = to - from < 65536 ? (uint32_t)(to - from) : 65536u, found[2] = {0, 0};
        uint32_t next[2], size = 1;
        bool look = r->log && r->count % (1 + r->misses / 32) == 0; /* less and less */
        long gain = look ? dx_patch_p_look_back(m, p, 0, left, found) : 0;
        if (gain > 0 && found[0] < DX_PATCH_P_ENOUGH && left > 1 && /* is one further on better? */
            dx_patch_p_look_back(m, p + 1, 1, left - 1, next) > gain + 16)
            gain = 0;
        if (gain > 0) {
            size = found[0];
            dx_patch_p_put_repeat(m, size, found[1]);
            r->last_back = found[1];
        } else {
            if (look)
                r->literal_price = (31 * r->literal_price + dx_patch_p_price(m, p, 0, 0) + 16) / 32;
            dx_patch_p_put_literal(m, p);
        }
        r->after = gain > 0;
        r->misses = gain > 0 ? 0 : r->misses < 512 ? r->misses + 1 : 512;
        if (r->log) dx_patch_p_add_literals(r, p, size, to - from);
        from += size;
    }
}

/* The old bytes of a block with those around it; zeros outside of the base. */
static void dx_patch_p_fill_window(dx_patch_p_maker *m, uint64_t old_at)
{
    uint64_t first = old_at < DX_PATCH_P_BEFORE ? 0 : old_at - DX_PATCH_P_BEFORE;
    uint32_t skip = (uint32_t)(DX_PATCH_P_BEFORE - (old_at - first));
    uint64_t size = m->finder.base_size - first;
    if (size > DX_PATCH_P_WINDOW - skip) size = DX_PATCH_P_WINDOW - skip;
    DX_PATCH_MEMSET(m->window, 0, DX_PATCH_P_WINDOW);
    DX_PATCH_MEMCPY(m->window + skip, m->finder.base + first, (size_t)size);
}

/* The predictor with which the block costs least. */
static uint32_t dx_patch_p_choose(dx_patch_p_maker *m, const dx_patch_p_span *s)
{
    uint64_t least = UINT64_MAX;
    uint32_t id, best = 0;
    int mode = m->writer.mode;
    if (!m->map) return DX_PATCH_P_ID_NONE;
    if (DX_PATCH_MEMCMP(s->old_bytes + s->start, s->new_bytes + s->start, s->size - s->start) == 0)
        return DX_PATCH_P_ID_NONE;
    m->writer.mode = DX_PATCH_P_COUNT;
    DX_PATCH_MEMCPY(m->memory, m->predictor.memory_, sizeof m->memory);
    for (id = 0; id < DX_PATCH_P_IDS; id++) {
        dx_patch_p_predictor first = m->predictor, second = m->predictor;
        m->writer.cost = 0;
        dx_patch_p_make_plan(&m->plan, &first, id, s);
        DX_PATCH_MEMCPY(m->predictor.memory_, m->memory, sizeof m->memory);
        dx_patch_p_put_block(m, &second, id, s);
        if (m->writer.cost < least) {
            least = m->writer.cost;
            best = id;
        }
    }
    m->writer.mode = mode;
    return best;
}

static void dx_patch_p_put_cover_bytes(dx_patch_p_maker *m, const dx_patch_p_cover *c)
{
    uint64_t done = 0;
    uint32_t carry = 0;
    while (done + carry < c->size) {
        dx_patch_p_span s;
        uint64_t left = c->size - done;
        uint32_t id, end;
        s.old_at = c->old_at + done;
        s.new_at = c->new_at + done;
        s.start = carry;
        s.size = left < DX_PATCH_P_BLOCK ? (uint32_t)left : DX_PATCH_P_BLOCK;
        s.room = left < DX_PATCH_P_BLOCK + 8 ? (uint32_t)left : DX_PATCH_P_BLOCK + 8;
        dx_patch_p_fill_window(m, s.old_at);
        s.old_bytes = m->window + DX_PATCH_P_BEFORE;
        s.new_bytes = m->finder.target + s.new_at;
        m->predictor.bias_[0] = dx_patch_p_address(&m->predictor, 0, s.old_at) - s.old_at;
        m->predictor.bias_[1] = dx_patch_p_address(&m->predictor, 1, s.new_at) - s.new_at;
        id = dx_patch_p_choose(m, &s);
        end = dx_patch_p_make_plan(&m->plan, &m->predictor, id, &s);
        dx_patch_p_put_block(m, &m->predictor, id, &s);
        m->last_id = id;
        done += s.size;
        carry = end - s.size;
    }
}

static void dx_patch_p_put_delta(dx_patch_p_maker *m)
{
    const dx_patch_p_finder *f = &m->finder;
    uint64_t at = 0;
    size_t i;
    dx_patch_p_put_setup(m);
    for (i = 0; i < f->cover_count; i++) {
        const dx_patch_p_cover *c = f->covers + i;
        if (!m->map) dx_patch_p_put_cover(m, i);
        dx_patch_p_put_literals(m, at, c->new_at);
        dx_patch_p_put_cover_bytes(m, c);
        at = c->new_at + c->size;
    }
    if (!m->map && at < f->target_size)
        dx_patch_p_put_number(&m->writer, DX_PATCH_P_N_GAP, f->target_size - at);
    dx_patch_p_put_literals(m, at, f->target_size);
    dx_patch_p_writer_finish(&m->writer);
}

/* >>reader: the streaming applier ------------------------------------------- */
#define DX_PATCH_P_STEP 64u /* no step of a decoder takes more bytes of input than this */
#define DX_PATCH_P_LAYOUT 16u /* of the parameters; and 1 if there is a map */
#define DX_PATCH_P_SLACK 16u /* lets the memory of the caller have any alignment */

enum { /* what is expected next */
    DX_PATCH_P_PARAMETERS, DX_PATCH_P_START, DX_PATCH_P_SETUP, DX_PATCH_P_LIST, DX_PATCH_P_NEXT,
    DX_PATCH_P_LITERALS, DX_PATCH_P_CHOICE, DX_PATCH_P_WALK, DX_PATCH_P_RECORD,
    DX_PATCH_P_DATA, DX_PATCH_P_DONE
};

/* Bytes that applying a delta takes. */
static uint64_t dx_patch_p_delta_memory(uint32_t literal_bits, uint32_t diff_bits, bool map,
                                        uint64_t covers, uint32_t history_log)
{
    uint64_t size = DX_PATCH_P_SLACK + 5u * dx_patch_p_model_count(literal_bits, diff_bits);
    size += DX_PATCH_P_WINDOW + DX_PATCH_P_BLOCK + 8;
    if (history_log) size += (uint64_t)1 << history_log;
    return map ? size + 4 * DX_PATCH_P_MEMORY + 16 * covers : size;
}

static int dx_patch_p_callback(dx_patch_applier *a, int result, int error)
{
    if (!result) return DX_PATCH_OK;
    a->callback_result_ = result;
    return error;
}

static int dx_patch_p_progress(dx_patch_applier *a)
{
    uint64_t done = a->base_done_ + a->produced_, total = a->from_size_ + a->to_size_;
    if (!a->desc_.progress) return DX_PATCH_OK;
    return dx_patch_p_callback(a, a->desc_.progress(a->desc_.user, done, total),
                               DX_PATCH_ECANCELED);
}

static int dx_patch_p_emit(dx_patch_applier *a, const uint8_t *p, uint32_t size)
{
    const dx_patch_applier_desc *d = &a->desc_;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(size <= a->to_size_ - a->produced_);
    if (!size) return DX_PATCH_OK;
    if (!d->skip_target_hash) dx_patch_p_hash_update(&d->hasher, &a->blake3_, p, size);
    if (d->out) DX_PATCH_MEMCPY((uint8_t *)d->out + a->produced_, p, size);
    else error = dx_patch_p_callback(a, d->write(d->user, p, size), DX_PATCH_ESYS);
    a->decoder_.last_byte_ = p[size - 1];
    a->produced_ += size;
    return error ? error : dx_patch_p_progress(a);
}

/* Base bytes, zeros outside of the base. */
static int dx_patch_p_read(dx_patch_applier *a, uint64_t at, uint8_t *p, uint32_t size)
{
    uint32_t part = size;
    if (at >= a->from_size_) part = 0;
    else if (part > a->from_size_ - at) part = (uint32_t)(a->from_size_ - at);
    DX_PATCH_MEMSET(p + part, 0, size - part);
    if (part && a->desc_.base) DX_PATCH_MEMCPY(p, (const uint8_t *)a->desc_.base + at, part);
    if (!part || a->desc_.base) return DX_PATCH_OK;
    return dx_patch_p_callback(a, a->desc_.read(a->desc_.user, at, p, part), DX_PATCH_ESYS);
}

/* Aligned memory of the caller from *at on, or NULL. */
static void *dx_patch_p_carve(const dx_patch_applier *a, size_t *at, size_t size)
{
    uint8_t *p = (uint8_t *)a->desc_.memory;
    size_t skip = (size_t)(0 - (uintptr_t)(p + *at)) & 7;
    if (skip > a->desc_.memory_size - *at) return NULL;
    skip += *at;
    if (size > a->desc_.memory_size - skip) return NULL;
    *at = skip + size;
    return p + skip;
}

static bool dx_patch_p_has_input(const dx_patch_p_decoder *d)
{
    return d->source_last_ || d->source_size_ - d->source_at_ >= DX_PATCH_P_STEP;
}

static int dx_patch_p_take_parameters(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    const uint8_t *p = a->in_;
    uint32_t count;
    d->literal_bits_ = p[0] & 15;
    d->diff_bits_ = p[0] >> 4;
    d->map_ = p[1] & 1;
    d->history_log_ = p[3];
    d->predictor_.region_bits_ = p[2];
    if (d->literal_bits_ > 8 || d->diff_bits_ > 3 || (p[1] & 254) != DX_PATCH_P_LAYOUT ||
        p[2] > 32 || p[3] > 30)
        return DX_PATCH_EVERSION;
    if (a->header_.coding == DX_PATCH_CODING_PLAIN && (p[0] || p[1] & 1 || p[3]))
        return DX_PATCH_EVERSION; /* such need bits */
    if (d->map_ && (a->from_size_ >> 32 || a->to_size_ >> 32)) return DX_PATCH_EHEADER;
    count = dx_patch_p_model_count(d->literal_bits_, d->diff_bits_);
    d->used_ = 0;
    d->models_ = (uint16_t *)dx_patch_p_carve(a, &d->used_, (size_t)count * 5);
    d->old_ = (uint8_t *)dx_patch_p_carve(a, &d->used_, DX_PATCH_P_WINDOW);
    if (!d->models_ || !d->old_) return DX_PATCH_EHEADER;
    d->new_ = (uint8_t *)dx_patch_p_carve(a, &d->used_, DX_PATCH_P_BLOCK + 8);
    if (!d->new_) return DX_PATCH_EHEADER;
    dx_patch_p_models_start(d->models_, count);
    d->counts_ = (uint8_t *)(d->models_ + 2 * count);
    DX_PATCH_MEMSET(d->counts_, 0, count);
    if (d->history_log_)
        d->history_ = (uint8_t *)dx_patch_p_carve(a, &d->used_, (size_t)1 << d->history_log_);
    if (d->history_log_ && !d->history_) return DX_PATCH_EHEADER;
    if (d->map_) {
        d->predictor_.memory_ = (uint32_t *)dx_patch_p_carve(a, &d->used_, 4 * DX_PATCH_P_MEMORY);
        if (!d->predictor_.memory_) return DX_PATCH_EHEADER;
        DX_PATCH_MEMSET(d->predictor_.memory_, 0, 4 * DX_PATCH_P_MEMORY);
    }
    return DX_PATCH_OK;
}

/* The numbers of the setup in their order: cover count, twice segments, twice the origin. */
static int dx_patch_p_take_setup(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    dx_patch_p_predictor *x = &d->predictor_;
    uint64_t v = dx_patch_p_get_number(d, DX_PATCH_P_N_SETUP);
    uint32_t side = d->setup_at_ >> 8, i = d->setup_at_ & 255;
    if (side == 0) {
        size_t count = (size_t)v;
        if (v > a->desc_.memory_size / 16) return DX_PATCH_EHEADER;
        x->covers_ = (uint32_t *)dx_patch_p_carve(a, &d->used_, 12 * count);
        if (!x->covers_) return DX_PATCH_EHEADER;
        x->order_ = (uint32_t *)dx_patch_p_carve(a, &d->used_, 4 * count);
        if (!x->order_) return DX_PATCH_EHEADER;
        x->count_ = (uint32_t)v;
        d->setup_at_ = 256;
        return DX_PATCH_OK;
    }
    side--;
    if (i == 0) {
        if (v > 8) return DX_PATCH_ECORRUPT;
        x->segment_count_[side] = (uint32_t)v;
    } else if (i <= 4 * x->segment_count_[side]) {
        x->segments_[side][(i - 1) / 4][(i - 1) % 4] = dx_patch_p_unfold(v);
    } else {
        x->origin_[side] = dx_patch_p_unfold(v);
    }
    d->setup_at_++;
    if (i == 4 * x->segment_count_[side] + 1) d->setup_at_ = (side + 2) << 8;
    if (d->setup_at_ == 3u << 8) a->state_ = DX_PATCH_P_LIST;
    return DX_PATCH_OK;
}

/* The next cover, after `gap` literal bytes. It lies inside of both files, or it is refused. */
static int dx_patch_p_take_cover(dx_patch_applier *a, uint64_t gap)
{
    dx_patch_p_decoder *d = &a->decoder_;
    uint64_t size = dx_patch_p_get_number(d, DX_PATCH_P_N_LENGTH);
    uint64_t jump = dx_patch_p_unfold(dx_patch_p_get_number(d, DX_PATCH_P_N_JUMP));
    uint64_t left = a->to_size_ - d->new_end_, old_at = d->old_end_ + gap + jump;
    if (gap >= left || size >= left - gap) return DX_PATCH_EBOUNDS;
    size++;
    if (old_at > a->from_size_ || size > a->from_size_ - old_at) return DX_PATCH_EBOUNDS;
    d->cover_new_ = d->new_end_ + gap;
    d->cover_old_ = old_at;
    d->cover_left_ = size;
    d->new_end_ = d->cover_new_ + size;
    d->old_end_ = old_at + size;
    return DX_PATCH_OK;
}

static int dx_patch_p_take_list(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    uint32_t *cover = d->predictor_.covers_ + 3 * (size_t)d->cover_at_;
    int error;
    if (d->cover_at_ == d->predictor_.count_) {
        dx_patch_p_sort_covers(&d->predictor_);
        d->cover_at_ = 0;
        d->new_end_ = 0;
        a->state_ = DX_PATCH_P_NEXT;
        return DX_PATCH_OK;
    }
    error = dx_patch_p_take_cover(a, dx_patch_p_get_number(d, DX_PATCH_P_N_GAP));
    if (error) return error;
    cover[0] = (uint32_t)d->cover_new_;
    cover[1] = (uint32_t)d->cover_old_;
    cover[2] = (uint32_t)d->cover_left_;
    d->cover_at_++;
    return DX_PATCH_OK;
}

/* Literal bytes and the cover behind them, if there is one. */
static int dx_patch_p_take_next(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    uint64_t left = a->to_size_ - a->produced_;
    int error = DX_PATCH_OK;
    d->cover_left_ = 0;
    d->literals_left_ = left;
    a->state_ = left ? DX_PATCH_P_LITERALS : DX_PATCH_P_DONE;
    if (!left) return DX_PATCH_OK;
    if (!d->map_) {
        uint64_t gap = dx_patch_p_get_number(d, DX_PATCH_P_N_GAP);
        if (gap > left) return DX_PATCH_EBOUNDS;
        d->literals_left_ = gap;
        if (gap < left) error = dx_patch_p_take_cover(a, gap);
    } else if (d->cover_at_ < d->predictor_.count_) {
        const uint32_t *cover = d->predictor_.covers_ + 3 * (size_t)d->cover_at_++;
        d->cover_new_ = cover[0];
        d->cover_old_ = cover[1];
        d->cover_left_ = cover[2];
        d->literals_left_ = d->cover_new_ - a->produced_;
    }
    d->start_ = 0;
    return error;
}

/* Is a repeat of earlier literals next? Then its size and distance. */
static int dx_patch_p_take_repeat(dx_patch_p_decoder *d, uint64_t left)
{
    uint64_t size, back = d->back_;
    uint32_t again;
    if (!dx_patch_p_get_bit(d, DX_PATCH_P_M_REPEAT + d->after_)) {
        d->after_ = 0;
        return DX_PATCH_OK;
    }
    d->after_ = 1;
    again = dx_patch_p_get_bit(d, DX_PATCH_P_M_REPEAT + 2);
    size = dx_patch_p_get_number(d, DX_PATCH_P_N_SIZE);
    if (!again) back = dx_patch_p_get_number(d, DX_PATCH_P_N_BACK) + 1;
    if (!back || back > d->history_size_ || back > (uint64_t)1 << d->history_log_ || size >= left)
        return DX_PATCH_EBOUNDS;
    d->back_ = back;
    d->repeat_left_ = size + 1;
    return DX_PATCH_OK;
}

static int dx_patch_p_take_literals(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    uint32_t size = 0, last = d->last_byte_;
    size_t mask = ((size_t)1 << d->history_log_) - 1;
    int error = DX_PATCH_OK;
    while (size < d->literals_left_ && size < DX_PATCH_P_BLOCK &&
           (d->repeat_left_ || dx_patch_p_has_input(d)) && !d->past_end_ && !error) {
        if (d->history_log_ && !d->repeat_left_)
            error = dx_patch_p_take_repeat(d, d->literals_left_ - size);
        if (d->repeat_left_) {
            last = d->history_[(size_t)(d->history_size_ - d->back_) & mask];
            d->repeat_left_--;
        } else {
            uint32_t c = (1u << d->diff_bits_) + (last >> (8 - d->literal_bits_));
            last = dx_patch_p_get_tree(d, DX_PATCH_P_M_BYTE + 256 * c, 8);
        }
        if (d->history_log_) d->history_[(size_t)d->history_size_++ & mask] = (uint8_t)last;
        d->new_[size++] = (uint8_t)last;
    }
    if (error) return error;
    d->literals_left_ -= size;
    error = dx_patch_p_emit(a, d->new_, size);
    if (!error && !d->literals_left_)
        a->state_ = d->cover_left_ ? DX_PATCH_P_CHOICE : DX_PATCH_P_NEXT;
    return error;
}

/* Start a block of the cover: its predictor, and the old bytes in and around it. */
static int dx_patch_p_take_choice(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    dx_patch_p_predictor *x = &d->predictor_;
    uint32_t before = DX_PATCH_P_BEFORE;
    d->id_ = dx_patch_p_get_tree(d, DX_PATCH_P_M_ID + 8 * d->id_, 3);
    if (d->id_ >= DX_PATCH_P_IDS || (d->id_ && !d->map_)) return DX_PATCH_EVERSION;
    d->size_ = DX_PATCH_P_BLOCK;
    d->room_ = DX_PATCH_P_BLOCK + 8;
    if (d->cover_left_ < d->size_) d->size_ = (uint32_t)d->cover_left_;
    if (d->cover_left_ < d->room_) d->room_ = (uint32_t)d->cover_left_;
    if (before > d->cover_old_) before = (uint32_t)d->cover_old_;
    DX_PATCH_MEMSET(d->old_, 0, DX_PATCH_P_BEFORE);
    x->bias_[0] = dx_patch_p_address(x, 0, d->cover_old_) - d->cover_old_;
    x->bias_[1] = dx_patch_p_address(x, 1, d->cover_new_) - d->cover_new_;
    d->at_ = d->start_;
    d->since_ = 2;
    d->wrong_known_ = false;
    a->state_ = DX_PATCH_P_WALK;
    return dx_patch_p_read(a, d->cover_old_ - before, d->old_ + DX_PATCH_P_BEFORE - before,
                           d->size_ + before + DX_PATCH_P_AFTER);
}

static void dx_patch_p_take_field(dx_patch_p_decoder *d, const dx_patch_p_field *f)
{
    uint64_t value = f->value;
    if (dx_patch_p_get_bit(d, dx_patch_p_flag_model(&d->predictor_, d->id_, f))) {
        value += dx_patch_p_unfold(1 + dx_patch_p_get_number(d, dx_patch_p_fix_number(d->id_)));
        if (f->size < 8) value &= ((uint64_t)1 << 8 * f->size) - 1;
    }
    dx_patch_p_learn(&d->predictor_, f, value);
    dx_patch_p_store_field(d->new_ + d->at_, d->id_, f->size, value);
    d->at_ += f->size;
    d->since_ = 0;
}

/* One byte outside of fields, or as many as are known to be right. */
static void dx_patch_p_take_bytes(dx_patch_p_decoder *d, const uint8_t *old)
{
    dx_patch_p_predictor *x = &d->predictor_;
    uint32_t count = 1;
    if (!d->wrong_known_) {
        uint64_t n = dx_patch_p_get_number(d, dx_patch_p_run_number(x->last_run_));
        if (n > DX_PATCH_P_BLOCK) d->bad_number_ = true;
        d->wrong_ = n != 0;
        d->run_ = n ? (uint32_t)n - 1 : DX_PATCH_P_BLOCK;
        x->last_run_ = n ? d->run_ : 8;
        d->wrong_known_ = true;
    }
    if (d->wrong_ && d->run_ == 0) {
        uint32_t c = dx_patch_p_diff_context(d->diff_bits_, x->last_run_, x->last_diff_);
        x->last_diff_ = dx_patch_p_get_tree(d, DX_PATCH_P_M_BYTE + 256 * c, 8);
        d->new_[d->at_] = (uint8_t)((*old + x->last_diff_) & 255);
        d->wrong_known_ = false;
    } else {
        uint32_t most = d->run_ < d->size_ - d->at_ ? d->run_ : d->size_ - d->at_;
        if (d->id_ == DX_PATCH_P_ID_NONE) count = most;
        while (count < most && !dx_patch_p_may_be_field(d->id_, old + count,
                                                        d->cover_old_ + d->at_ + count,
                                                        d->since_ + count))
            count++;
        DX_PATCH_MEMCPY(d->new_ + d->at_, old, count);
        d->run_ -= count;
    }
    d->at_ += count;
    d->since_ += count;
}

static int dx_patch_p_take_walk(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    uint32_t end;
    int error;
    while (d->at_ < d->size_) {
        const uint8_t *old = d->old_ + DX_PATCH_P_BEFORE + d->at_;
        dx_patch_p_field f;
        if (d->past_end_ || d->bad_number_) return DX_PATCH_ECORRUPT;
        if (!dx_patch_p_has_input(d)) return DX_PATCH_OK;
        f.size = 0;
        if (dx_patch_p_may_be_field(d->id_, old, d->cover_old_ + d->at_, d->since_))
            f = dx_patch_p_predict(&d->predictor_, d->id_, old, d->cover_old_ + d->at_,
                                   d->cover_new_ + d->at_);
        if (f.size && f.size <= d->room_ - d->at_) dx_patch_p_take_field(d, &f);
        else dx_patch_p_take_bytes(d, old);
    }
    if (d->past_end_ || d->bad_number_ || (d->wrong_known_ && d->wrong_)) return DX_PATCH_ECORRUPT;
    end = d->at_;
    error = dx_patch_p_emit(a, d->new_ + d->start_, end - d->start_);
    d->start_ = end - d->size_;
    d->cover_old_ += d->size_;
    d->cover_new_ += d->size_;
    d->cover_left_ -= d->size_;
    a->state_ = d->cover_left_ > d->start_ ? DX_PATCH_P_CHOICE : DX_PATCH_P_NEXT;
    return error;
}

static void dx_patch_p_xor(uint8_t *p, const uint8_t *changes, size_t size)
{
    for (; size >= 8; size -= 8, p += 8, changes += 8) {
        uint64_t a, b;
        DX_PATCH_MEMCPY(&a, p, 8);
        DX_PATCH_MEMCPY(&b, changes, 8);
        a ^= b;
        DX_PATCH_MEMCPY(p, &a, 8);
    }
    while (size--) *p++ ^= *changes++;
}

/* The next run of changed bytes of a block patch: 1, or 0 at the end, or an error. */
static int dx_patch_p_next_run(dx_patch_p_decoder *d, dx_patch_p_runs *r)
{
    uint64_t gap, size;
    if (!r->left) {
        if (d->source_at_ == d->source_size_) return 0;
        gap = dx_patch_p_get_varint(d);
        r->left = dx_patch_p_get_varint(d);
        if (d->past_end_) return DX_PATCH_ETRUNCATED;
        if (d->bad_number_ || !r->left || r->left > r->block_size) return DX_PATCH_EBLOCK;
        if (r->next > r->limit || gap > (r->limit - r->next) / r->block_size)
            return DX_PATCH_EBOUNDS;
        r->at = r->next + gap * r->block_size;
        r->next = r->at + r->block_size;
    }
    gap = r->brief ? dx_patch_p_get_raw(d) : 255u;
    size = 1;
    if (gap == 255) {
        gap = dx_patch_p_get_varint(d);
        size = dx_patch_p_get_varint(d);
    } else if (gap >= 224) {
        gap = 224 + (gap - 224) * 256 + dx_patch_p_get_raw(d);
    }
    if (d->past_end_) return DX_PATCH_ETRUNCATED;
    if (d->bad_number_ || !size) return DX_PATCH_EBLOCK;
    if (gap > r->next - r->at || size > r->next - r->at - gap) return DX_PATCH_EBLOCK;
    r->at += gap;
    if (r->at > r->limit || size > r->limit - r->at) return DX_PATCH_EBOUNDS;
    r->size = size;
    r->left--;
    return 1;
}

/* Block patches: bytes up to `until`, changed or as they are. */
static int dx_patch_p_blocks_emit(dx_patch_applier *a, uint64_t until, const uint8_t *changes)
{
    uint8_t *p = a->decoder_.old_;
    int error = DX_PATCH_OK;
    while (!error && a->at_ < until) {
        uint64_t room = a->to_size_ - a->produced_, left = until - a->at_;
        uint32_t size = left < DX_PATCH_P_BLOCK ? (uint32_t)left : DX_PATCH_P_BLOCK, i;
        error = dx_patch_p_read(a, a->at_, p, size);
        if (changes) dx_patch_p_xor(p, changes, size);
        for (i = room < size ? (uint32_t)room : size; i < size && !error; i++)
            if (p[i]) error = DX_PATCH_ECORRUPT;
        if (!error) error = dx_patch_p_emit(a, p, room < size ? (uint32_t)room : size);
        a->at_ += size;
    }
    return error;
}

static int dx_patch_p_take_record(dx_patch_applier *a)
{
    int got = dx_patch_p_next_run(&a->decoder_, &a->runs_);
    if (got < 0) return got;
    a->state_ = got ? DX_PATCH_P_DATA : DX_PATCH_P_DONE;
    if (got) return dx_patch_p_blocks_emit(a, a->runs_.at, NULL);
    return dx_patch_p_blocks_emit(a, a->header_.reversible ? a->runs_.limit : a->to_size_, NULL);
}

static int dx_patch_p_take_data(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    const uint8_t *changes = d->source_ + d->source_at_;
    size_t size = d->source_size_ - d->source_at_;
    if (size > a->runs_.size) size = (size_t)a->runs_.size;
    if (size > DX_PATCH_P_BLOCK) size = DX_PATCH_P_BLOCK;
    if (!size) return DX_PATCH_ETRUNCATED;
    d->source_at_ += size;
    a->runs_.at += size;
    a->runs_.size -= size;
    if (!a->runs_.size) a->state_ = DX_PATCH_P_RECORD;
    return dx_patch_p_blocks_emit(a, a->at_ + size, changes);
}

static int dx_patch_p_step(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    int i;
    switch (a->state_) {
    case DX_PATCH_P_START:
        d->range_ = a->header_.coding == DX_PATCH_CODING_RANGE ? 0xffffffffu : 0u;
        for (i = 0; i < 4 && d->range_; i++) d->code_ = d->code_ << 8 | dx_patch_p_get_raw(d);
        a->state_ = d->map_ ? DX_PATCH_P_SETUP : DX_PATCH_P_NEXT;
        return DX_PATCH_OK;
    case DX_PATCH_P_SETUP: return dx_patch_p_take_setup(a);
    case DX_PATCH_P_LIST: return dx_patch_p_take_list(a);
    case DX_PATCH_P_NEXT: return dx_patch_p_take_next(a);
    case DX_PATCH_P_LITERALS: return dx_patch_p_take_literals(a);
    case DX_PATCH_P_CHOICE: return dx_patch_p_take_choice(a);
    case DX_PATCH_P_WALK: return dx_patch_p_take_walk(a);
    case DX_PATCH_P_RECORD: return dx_patch_p_take_record(a);
    default: return dx_patch_p_take_data(a);
    }
}

/* Steps as long as there is input for a whole one. */
static int dx_patch_p_steps(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    while (a->state_ != DX_PATCH_P_DONE && (dx_patch_p_has_input(d) || d->repeat_left_)) {
        int error = dx_patch_p_step(a);
        if (!error && (d->past_end_ || d->bad_number_)) error = DX_PATCH_ECORRUPT;
        if (error) return error;
    }
    return DX_PATCH_OK;
}

static void dx_patch_p_drop_input(dx_patch_applier *a, size_t size)
{
    DX_PATCH_MEMMOVE(a->in_, a->in_ + size, a->in_size_ - size);
    a->in_size_ -= size;
}

/* Decode what has arrived of the body. */
static int dx_patch_p_run(dx_patch_applier *a)
{
    dx_patch_p_decoder *d = &a->decoder_;
    bool last = a->received_ == DX_PATCH_HEADER_SIZE + a->header_.body_size;
    int error = DX_PATCH_OK;
    if (a->state_ == DX_PATCH_P_PARAMETERS) {
        if (a->in_size_ < 4) return last ? DX_PATCH_ECORRUPT : DX_PATCH_OK;
        error = dx_patch_p_take_parameters(a);
        if (error) return error;
        dx_patch_p_drop_input(a, 4);
        a->state_ = DX_PATCH_P_START;
    }
    d->source_ = a->in_;
    d->source_at_ = 0;
    d->source_size_ = a->in_size_;
    d->source_last_ = last;
    error = dx_patch_p_steps(a);
    dx_patch_p_drop_input(a, d->source_at_);
    if (!error && a->state_ == DX_PATCH_P_DONE && a->in_size_) error = DX_PATCH_ECORRUPT;
    return error;
}

/* Read the whole base and compare its hash, before the first byte is written. */
static int dx_patch_p_check_base(dx_patch_applier *a)
{
    uint8_t *buffer = (uint8_t *)a->desc_.memory, hash[DX_PATCH_HASH_SIZE];
    uint64_t at = 0;
    uint32_t part = a->desc_.memory_size < 65536 ? (uint32_t)a->desc_.memory_size : 65536u;
    const dx_patch_header *h = &a->header_;
    const uint8_t *from = a->desc_.undo ? h->target_hash : h->base_hash;
    const uint8_t *to = a->desc_.undo ? h->base_hash : h->target_hash;
    bool same_size = a->desc_.base_size == a->from_size_;
    if (!same_size && a->desc_.base_size != a->to_size_) return DX_PATCH_EBASE;
    if (same_size && a->desc_.skip_base_hash) return DX_PATCH_OK;
    dx_patch_p_hash_start(&a->desc_.hasher, &a->blake3_);
    while (at < a->desc_.base_size) {
        int error;
        if (part > a->desc_.base_size - at) part = (uint32_t)(a->desc_.base_size - at);
        error = a->desc_.base ? 0 : a->desc_.read(a->desc_.user, at, buffer, part);
        error = dx_patch_p_callback(a, error, DX_PATCH_ESYS);
        if (error) return error;
        dx_patch_p_hash_update(&a->desc_.hasher, &a->blake3_,
                               a->desc_.base ? (const uint8_t *)a->desc_.base + at : buffer, part);
        at += part;
        a->base_done_ = at;
        error = dx_patch_p_progress(a);
        if (error) return error;
    }
    dx_patch_p_hash_finish(&a->desc_.hasher, &a->blake3_, hash);
    if (same_size && DX_PATCH_MEMCMP(hash, from, sizeof hash) == 0) return DX_PATCH_OK;
    if (a->desc_.base_size != a->to_size_) return DX_PATCH_EBASE;
    return DX_PATCH_MEMCMP(hash, to, sizeof hash) == 0 ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
}

/* The header is complete: refuse what can be refused, then look at the base. */
static int dx_patch_p_begin(dx_patch_applier *a)
{
    dx_patch_header *h = &a->header_;
    int error = dx_patch_info(a->in_, DX_PATCH_HEADER_SIZE, h);
    a->in_size_ = 0;
    if (error) return error;
    if (h->kind == DX_PATCH_KIND_FLASH) return DX_PATCH_ENOTSUP;
    if (a->desc_.undo && !h->reversible) return DX_PATCH_ENOTSUP; /* only blocks are */
    a->from_size_ = a->desc_.undo ? h->target_size : h->base_size;
    a->to_size_ = a->desc_.undo ? h->base_size : h->target_size;
    if (a->desc_.target_size_max && a->to_size_ > a->desc_.target_size_max) return DX_PATCH_ETOOBIG;
    if (h->coding == DX_PATCH_CODING_ZSTD) return DX_PATCH_ENOTSUP;
    if (!a->desc_.memory_size || h->memory_size > a->desc_.memory_size) return DX_PATCH_ENOMEM;
    if (a->desc_.out && a->to_size_ > a->desc_.out_capacity) return DX_PATCH_ENOSPACE;
    error = dx_patch_p_check_base(a);
    if (error) return error;
    dx_patch_p_hash_start(&a->desc_.hasher, &a->blake3_);
    a->state_ = DX_PATCH_P_PARAMETERS;
    if (h->kind == DX_PATCH_KIND_BLOCKS) {
        uint64_t limit = h->base_size > h->target_size ? h->base_size : h->target_size;
        a->runs_.block_size = h->block_size;
        a->runs_.brief = h->coding == DX_PATCH_CODING_BRIEF;
        a->runs_.limit = h->reversible ? limit : h->target_size;
        a->decoder_.old_ = (uint8_t *)dx_patch_p_carve(a, &a->decoder_.used_, DX_PATCH_P_BLOCK);
        if (!a->decoder_.old_) return DX_PATCH_EHEADER;
        a->state_ = DX_PATCH_P_RECORD;
    }
    return h->body_size ? DX_PATCH_OK : dx_patch_p_run(a);
}

/* Take up to size bytes of input; returns how many, or an error. */
static int dx_patch_p_take_input(dx_patch_applier *a, const uint8_t *p, size_t size, size_t *taken)
{
    uint64_t end = DX_PATCH_HEADER_SIZE, part = size;
    bool header = a->received_ < end;
    if (!header) end += a->header_.body_size;
    if (!header && a->received_ >= end) { /* the trailer is not ours to read */
        end += a->header_.trailer_size;
        if (part > end - a->received_) part = end - a->received_;
        a->received_ += part;
        *taken = (size_t)part;
        return part ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
    }
    if (part > end - a->received_) part = end - a->received_;
    if (part > sizeof a->in_ - a->in_size_) part = sizeof a->in_ - a->in_size_;
    DX_PATCH_MEMCPY(a->in_ + a->in_size_, p, (size_t)part);
    a->in_size_ += (size_t)part;
    a->received_ += part;
    *taken = (size_t)part;
    if (header) return a->received_ == end ? dx_patch_p_begin(a) : DX_PATCH_OK;
    a->crc_ = dx_patch_p_crc32c(a->crc_, p, (size_t)part);
    if (a->received_ == end && a->crc_ != a->header_.body_crc) return DX_PATCH_ECORRUPT;
    return dx_patch_p_run(a);
}

/* >>public ------------------------------------------------------------- */
DX_PATCH_API const char *dx_patch_error_name(int error)
{
    switch (error) {
#define DX_PATCH_P_CASE(value, constant, wire) case value: return "DX_PATCH_" #constant;
    DX_PATCH_ERRORS(DX_PATCH_P_CASE)
#undef DX_PATCH_P_CASE
    default: return "DX_PATCH_?";
    }
}

DX_PATCH_API int dx_patch_error_wire(int error)
{
    switch (error) {
#define DX_PATCH_P_CASE(value, constant, wire) case value: return wire;
    DX_PATCH_ERRORS(DX_PATCH_P_CASE)
#undef DX_PATCH_P_CASE
    default: return 1;
    }
}

DX_PATCH_API void dx_patch_hash(const void *data, size_t size, uint8_t *hash)
{
    dx_patch_hasher none;
    DX_PATCH_MEMSET(&none, 0, sizeof none);
    dx_patch_p_hash_all(&none, data, size, hash);
}

DX_PATCH_API int dx_patch_applier_init(dx_patch_applier *a, const dx_patch_applier_desc *desc)
{
    if (!a || !desc) return DX_PATCH_EINVAL;
    DX_PATCH_MEMSET(a, 0, sizeof *a);
    a->error_ = DX_PATCH_EINVAL;
    if ((!desc->write && !desc->out) || !desc->memory || !dx_patch_p_hasher_is_sane(&desc->hasher))
        return DX_PATCH_EINVAL;
    if (!desc->read && !desc->base) a->error_ = DX_PATCH_ENOBASE;
    else a->error_ = DX_PATCH_OK;
    a->desc_ = *desc;
    return a->error_;
}

DX_PATCH_API int dx_patch_applier_feed(dx_patch_applier *a, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    if (!a || (!data && size)) return DX_PATCH_EINVAL;
    while (!a->error_ && size) {
        size_t taken = 0;
        a->error_ = dx_patch_p_take_input(a, p, size, &taken);
        p += taken;
        size -= taken;
    }
    return a->error_;
}

DX_PATCH_API int dx_patch_applier_finish(dx_patch_applier *a)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    const dx_patch_header *h;
    if (!a) return DX_PATCH_EINVAL;
    if (a->error_) return a->error_;
    h = &a->header_;
    if (!a->received_) a->error_ = DX_PATCH_ENOPATCH;
    else if (a->received_ < DX_PATCH_HEADER_SIZE ||
             a->received_ < DX_PATCH_HEADER_SIZE + h->body_size + h->trailer_size)
        a->error_ = DX_PATCH_ETRUNCATED;
    else if (a->state_ != DX_PATCH_P_DONE || a->produced_ != a->to_size_)
        a->error_ = DX_PATCH_ECORRUPT;
    if (a->error_) return a->error_;
    if (!a->desc_.skip_target_hash) {
        dx_patch_p_hash_finish(&a->desc_.hasher, &a->blake3_, hash);
        if (DX_PATCH_MEMCMP(hash, a->desc_.undo ? h->base_hash : h->target_hash, sizeof hash) != 0)
            a->error_ = DX_PATCH_ETARGET;
    }
    if (a->error_) return a->error_;
    a->error_ = DX_PATCH_EINVAL; /* done: what comes now breaks the contract */
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_applier_callback_result(const dx_patch_applier *a)
{
    return a ? a->callback_result_ : 0;
}

/* >>memory: base, patch and target in memory ----------------------------------- */
/* A whole patch: its length and its checksum, before anything else happens. */
static int dx_patch_p_check_whole(const uint8_t *patch, size_t size, dx_patch_header *h)
{
    uint64_t left;
    int error = size ? dx_patch_info(patch, size, h) : DX_PATCH_ENOPATCH;
    if (error) return error;
    left = size - DX_PATCH_HEADER_SIZE;
    if (left < h->body_size || left - h->body_size < h->trailer_size) return DX_PATCH_ETRUNCATED;
    if (left - h->body_size > h->trailer_size) return DX_PATCH_ECORRUPT;
    if (dx_patch_p_crc32c(0, patch + DX_PATCH_HEADER_SIZE, (size_t)h->body_size) != h->body_crc)
        return DX_PATCH_ECORRUPT;
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_apply(const void *base, size_t base_size, const void *patch,
                                size_t patch_size, void *out, size_t out_capacity,
                                size_t *out_size, void *memory, size_t memory_size)
{
    dx_patch_applier a;
    dx_patch_applier_desc desc;
    int error;
    if (!out_size || !memory || (!out && out_capacity)) return DX_PATCH_EINVAL;
    *out_size = 0;
    if (!base && base_size) return DX_PATCH_ENOBASE;
    if (!patch) return DX_PATCH_ENOPATCH;
    error = dx_patch_p_check_whole((const uint8_t *)patch, patch_size, &a.header_);
    if (error) return error;
    if (a.header_.target_size > out_capacity) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(&desc, 0, sizeof desc);
    desc.base = base_size ? base : memory;
    desc.base_size = base_size;
    desc.out = out_capacity ? out : memory;
    desc.out_capacity = out_capacity;
    desc.memory = memory;
    desc.memory_size = memory_size;
    error = dx_patch_applier_init(&a, &desc);
    if (!error) error = dx_patch_applier_feed(&a, patch, patch_size);
    if (!error) error = dx_patch_applier_finish(&a);
    if (!error) *out_size = (size_t)a.produced_;
    return error;
}

/* XOR all runs of a whole patch into the buffer; NULL: only check them. */
static int dx_patch_p_xor_runs(const dx_patch_header *h, const uint8_t *patch, uint8_t *buffer)
{
    dx_patch_p_decoder d;
    dx_patch_p_runs r;
    uint64_t larger = h->base_size > h->target_size ? h->base_size : h->target_size;
    int got;
    DX_PATCH_MEMSET(&d, 0, sizeof d);
    DX_PATCH_MEMSET(&r, 0, sizeof r);
    d.source_ = patch + DX_PATCH_HEADER_SIZE;
    d.source_size_ = (size_t)h->body_size;
    r.block_size = h->block_size;
    r.brief = h->coding == DX_PATCH_CODING_BRIEF;
    r.limit = h->reversible ? larger : h->target_size;
    while ((got = dx_patch_p_next_run(&d, &r)) > 0) {
        if (r.size > d.source_size_ - d.source_at_) return DX_PATCH_ETRUNCATED;
        if (buffer) dx_patch_p_xor(buffer + (size_t)r.at, d.source_ + d.source_at_, (size_t)r.size);
        d.source_at_ += (size_t)r.size;
        r.at += r.size;
    }
    return got;
}

static int dx_patch_p_in_place(uint8_t *buffer, size_t size, size_t capacity,
                               const uint8_t *patch, size_t patch_size, size_t *new_size, bool undo)
{
    dx_patch_header h;
    uint8_t hash[DX_PATCH_HASH_SIZE];
    const uint8_t *from = undo ? h.target_hash : h.base_hash;
    const uint8_t *to = undo ? h.base_hash : h.target_hash;
    uint64_t from_size, to_size;
    size_t larger, i;
    int error;
    if (!new_size || size > capacity) return DX_PATCH_EINVAL;
    if (!buffer && capacity) return DX_PATCH_ENOBASE;
    if (!patch) return DX_PATCH_ENOPATCH;
    if ((error = dx_patch_p_check_whole(patch, patch_size, &h)) != 0) return error;
    if (h.kind != DX_PATCH_KIND_BLOCKS || (undo && !h.reversible)) return DX_PATCH_ENOTSUP;
    if ((error = dx_patch_p_xor_runs(&h, patch, NULL)) != 0) return error;
    from_size = undo ? h.target_size : h.base_size;
    to_size = undo ? h.base_size : h.target_size;
    dx_patch_hash(buffer, size, hash);
    if (size != from_size || DX_PATCH_MEMCMP(hash, from, sizeof hash) != 0)
        return size == to_size && DX_PATCH_MEMCMP(hash, to, sizeof hash) == 0 ? DX_PATCH_EAPPLIED
                                                                              : DX_PATCH_EBASE;
    if (from_size > capacity || to_size > capacity) return DX_PATCH_ENOSPACE;
    larger = (size_t)(from_size > to_size ? from_size : to_size);
    if (larger > size) DX_PATCH_MEMSET(buffer + size, 0, larger - size);
    (void)dx_patch_p_xor_runs(&h, patch, buffer);
    dx_patch_hash(buffer, (size_t)to_size, hash);
    if (DX_PATCH_MEMCMP(hash, to, sizeof hash) != 0) error = DX_PATCH_ETARGET;
    for (i = (size_t)to_size; h.reversible && i < larger; i++)
        if (buffer[i]) error = DX_PATCH_ECORRUPT; /* both sides count as followed by zeros */
    if (error) (void)dx_patch_p_xor_runs(&h, patch, buffer); /* the same XOR takes it back */
    else *new_size = (size_t)to_size;
    return error;
}

DX_PATCH_API int dx_patch_apply_in_place(void *buffer, size_t base_size, size_t buffer_capacity,
                                         const void *patch, size_t patch_size, size_t *new_size)
{
    return dx_patch_p_in_place((uint8_t *)buffer, base_size, buffer_capacity,
                               (const uint8_t *)patch, patch_size, new_size, false);
}

DX_PATCH_API int dx_patch_undo(void *buffer, size_t target_size, size_t buffer_capacity,
                               const void *patch, size_t patch_size, size_t *new_size)
{
    return dx_patch_p_in_place((uint8_t *)buffer, target_size, buffer_capacity,
                               (const uint8_t *)patch, patch_size, new_size, true);
}

/* >>flash: in place on one slot ------------------------------------------------
   Up: the base moves up by a gap of some pages, then the target is decoded from its first page on.
   Down: the target is decoded from its last page on, a gap too high, then moves down. Nothing is
   read after it was overwritten: the patch was made so. The pages show how far a run came: there is
   no journal. The stream is parsed without the base, so that decoding can go on in its middle. */
#define DX_PATCH_P_F_RUN 3u /* numbers: 0 gap, 1 length, 2 jump, 3..5 run, by the run before */
#define DX_PATCH_P_F_WRONG (6u * DX_PATCH_P_NUMBER)
#define DX_PATCH_P_F_LITERAL (DX_PATCH_P_F_WRONG + 256u)
#define DX_PATCH_P_F_MODELS (DX_PATCH_P_F_LITERAL + 256u) /* dx_patch_flash has room for 1280 */
#define DX_PATCH_P_F_NEVER 0xffffffffu

static uint32_t dx_patch_p_pages(const dx_patch_p_layout *l, bool target)
{
    uint32_t size = target ? l->target_size : l->base_size;
    return (size >> l->bits) + (size & ((1u << l->bits) - 1) ? 1u : 0u);
}

static uint32_t dx_patch_p_place(const dx_patch_p_layout *l, bool target, uint32_t n)
{
    return l->down ? (target ? l->target_size : l->base_size) - 1 - n : n;
}

/* Is the base's byte old_n still there while the page of the target's byte n is written? */
static bool dx_patch_p_is_there(const dx_patch_p_layout *l, uint32_t n, uint32_t old_n)
{
    uint32_t page = dx_patch_p_place(l, true, n) >> l->bits;
    uint32_t old_page = dx_patch_p_place(l, false, old_n) >> l->bits;
    return l->down ? old_page < page + l->gap : old_page + l->gap > page;
}

static void dx_patch_p_f_fail(dx_patch_flash *f, bool wrong, int error)
{
    if (wrong && !f->error_) f->error_ = error;
}

static void dx_patch_p_f_do(dx_patch_flash *f, dx_patch_flash_io what, uint64_t at, void *p,
                                uint32_t size)
{
    if (!f->error_ && f->desc_.io(f->desc_.user, what, at, p, size)) f->error_ = DX_PATCH_ESYS;
}

/* Is byte n in a page that must be written? The others are there already. */
static bool dx_patch_p_f_is_new(const dx_patch_flash *f, uint32_t n)
{
    uint32_t page = dx_patch_p_place(&f->layout_, true, n) >> f->layout_.bits;
    return f->first_step_ <= (f->layout_.down ? f->moves_ - 1 - page : page);
}

/* Byte n of the target; whole pieces go to the flash. */
static void dx_patch_p_f_put(dx_patch_flash *f, uint32_t n, uint32_t byte)
{
    const dx_patch_p_layout *l = &f->layout_;
    uint32_t at = dx_patch_p_place(l, true, n), i = at & 255;
    f->out_[i] = (uint8_t)(byte & 255);
    if (i != (l->down ? 0u : 255u) && n + 1 < l->target_size) return;
    if (dx_patch_p_f_is_new(f, n)) {
        uint32_t shift = l->down ? l->gap : 0, page = (at >> l->bits) + shift;
        uint64_t start = (uint64_t)page << l->bits, piece = at - i + ((uint64_t)shift << l->bits);
        if (page != f->erased_)
            dx_patch_p_f_do(f, DX_PATCH_FLASH_ERASE, start, NULL, 1u << l->bits);
        f->erased_ = page;
        dx_patch_p_f_do(f, DX_PATCH_FLASH_WRITE, piece, f->out_, sizeof f->out_);
    }
    DX_PATCH_MEMSET(f->out_, 255, sizeof f->out_);
}

/* The base's byte for byte n of the target. */
static uint32_t dx_patch_p_f_old(dx_patch_flash *f, uint32_t n, uint32_t old_n)
{
    const dx_patch_p_layout *l = &f->layout_;
    uint32_t at = dx_patch_p_place(l, false, old_n), size = (uint32_t)sizeof f->old_;
    uint64_t piece = at - at % size + (l->down ? 0 : (uint64_t)l->gap << l->bits);
    dx_patch_p_f_fail(f, !dx_patch_p_is_there(l, n, old_n), DX_PATCH_EBOUNDS);
    if (f->error_ || !dx_patch_p_f_is_new(f, n)) return 0;
    if (at / size != f->cached_) dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, piece, f->old_, size);
    f->cached_ = at / size;
    return f->old_[at % size];
}

static void dx_patch_p_f_cover(dx_patch_flash *f, uint32_t n, uint32_t old_n, uint32_t left,
                                   uint32_t *last_run)
{
    while (!f->error_ && left) {
        uint32_t which = dx_patch_p_run_number(*last_run) - DX_PATCH_P_N_RUN + DX_PATCH_P_F_RUN;
        uint64_t run = dx_patch_p_get_number(&f->decoder_, which);
        uint32_t count = run ? (uint32_t)run - 1 : left;
        dx_patch_p_f_fail(f, run > left, DX_PATCH_ECORRUPT);
        left -= run ? count + 1 : count;
        *last_run = run ? count : 8;
        for (; count && !f->error_; count--, n++)
            dx_patch_p_f_put(f, n, dx_patch_p_f_old(f, n, old_n++));
        if (!run || f->error_) continue;
        count = dx_patch_p_get_tree(&f->decoder_, DX_PATCH_P_F_WRONG, 8);
        count += dx_patch_p_f_old(f, n, old_n++);
        dx_patch_p_f_put(f, n++, count);
    }
}

/* Decode the target. Pages before first_step are there already; F_NEVER: only check. */
static void dx_patch_p_f_decode(dx_patch_flash *f, uint32_t first_step)
{
    dx_patch_p_decoder *d = &f->decoder_;
    uint32_t n = 0, last_run = 0, base_size = f->layout_.base_size;
    uint64_t left, gap, size, old_n = 0;
    DX_PATCH_MEMSET(d, 0, sizeof *d);
    DX_PATCH_MEMSET(f->out_, 255, sizeof f->out_);
    d->models_ = f->u_.models_;
    d->source_ = (const uint8_t *)f->desc_.patch;
    d->source_at_ = f->stream_at_;
    d->source_size_ = DX_PATCH_HEADER_SIZE + (size_t)f->header_.body_size;
    d->range_ = 0xffffffffu;
    dx_patch_p_models_start(d->models_, DX_PATCH_P_F_MODELS);
    f->first_step_ = first_step;
    f->erased_ = f->cached_ = DX_PATCH_P_F_NEVER;
    for (size = 0; size < 4; size++) d->code_ = d->code_ << 8 | dx_patch_p_get_raw(d);
    while (!f->error_ && (left = f->layout_.target_size - n) != 0) {
        gap = dx_patch_p_get_number(&f->decoder_, 0);
        dx_patch_p_f_fail(f, gap > left, DX_PATCH_EBOUNDS);
        left -= gap;
        for (old_n += gap; gap && !f->error_; gap--)
            dx_patch_p_f_put(f, n++, dx_patch_p_get_tree(&f->decoder_,
                                                             DX_PATCH_P_F_LITERAL, 8));
        if (f->error_ || !left) break;
        size = dx_patch_p_get_number(&f->decoder_, 1);
        old_n += dx_patch_p_unfold(dx_patch_p_get_number(&f->decoder_, 2));
        dx_patch_p_f_fail(f, size >= left || old_n >= base_size || size >= base_size - old_n,
                              DX_PATCH_EBOUNDS);
        dx_patch_p_f_cover(f, n, (uint32_t)old_n, (uint32_t)size + 1, &last_run);
        n += (uint32_t)size + 1;
        old_n += size + 1;
    }
    dx_patch_p_f_fail(f, d->source_at_ != d->source_size_ || d->past_end_, DX_PATCH_ECORRUPT);
}

/* CRC-32C of bytes, and their hash when hash is not NULL. */
static uint32_t dx_patch_p_f_sum(dx_patch_flash *f, uint64_t at, uint32_t size, uint8_t *hash)
{
    uint32_t crc = 0, part;
    if (hash) dx_patch_p_hash_start(&f->desc_.hasher, &f->u_.blake3_);
    for (; size && !f->error_; size -= part, at += part) {
        part = size < sizeof f->out_ ? size : (uint32_t)sizeof f->out_;
        dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, at, f->out_, part);
        if (hash) dx_patch_p_hash_update(&f->desc_.hasher, &f->u_.blake3_, f->out_, part);
        else crc = dx_patch_p_crc32c(crc, f->out_, part);
    }
    if (hash) dx_patch_p_hash_finish(&f->desc_.hasher, &f->u_.blake3_, hash);
    return crc;
}

static bool dx_patch_p_f_holds(dx_patch_flash *f, bool target)
{
    const uint8_t *wanted = target ? f->header_.target_hash : f->header_.base_hash;
    uint64_t size = target ? f->header_.target_size : f->header_.base_size;
    uint8_t hash[DX_PATCH_HASH_SIZE];
    (void)dx_patch_p_f_sum(f, 0, (uint32_t)size, hash);
    return !f->error_ && DX_PATCH_MEMCMP(hash, wanted, sizeof hash) == 0;
}

/* Is page j of base or target found at this page of the slot? */
static bool dx_patch_p_f_matches(dx_patch_flash *f, bool target, uint32_t j, uint32_t page)
{
    const dx_patch_p_layout *l = &f->layout_;
    uint32_t size = (target ? l->target_size : l->base_size) - (j << l->bits), crc;
    size_t at = (size_t)j + (target ? dx_patch_p_pages(l, false) : 0);
    const uint8_t *sums = (const uint8_t *)f->desc_.patch + DX_PATCH_HEADER_SIZE + 4;
    if (size > 1u << l->bits) size = 1u << l->bits;
    crc = dx_patch_p_f_sum(f, (uint64_t)page << l->bits, size, NULL);
    return !f->error_ && crc == dx_patch_p_load32(sums + 4 * at);
}

static bool dx_patch_p_f_all_match(dx_patch_flash *f, bool target, uint32_t count)
{
    uint32_t j = 0;
    while (j < count && dx_patch_p_f_matches(f, target, j, j)) j++;
    return j == count;
}

/* Move page j of what moves to its other place. */
static void dx_patch_p_f_move(dx_patch_flash *f, uint32_t j)
{
    const dx_patch_p_layout *l = &f->layout_;
    uint64_t low = (uint64_t)j << l->bits, high = (uint64_t)(j + l->gap) << l->bits, at = 0;
    dx_patch_p_f_do(f, DX_PATCH_FLASH_ERASE, l->down ? low : high, NULL, 1u << l->bits);
    for (; at >> l->bits == 0; at += 256) {
        dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, (l->down ? high : low) + at, f->out_, 256);
        dx_patch_p_f_do(f, DX_PATCH_FLASH_WRITE, (l->down ? low : high) + at, f->out_, 256);
    }
}

/* From here on the slot changes. step: the first page to decode; page: the next one to move. */
static void dx_patch_p_f_go_on(dx_patch_flash *f, uint32_t step, uint32_t page)
{
    if (!f->layout_.down)
        while (page-- > 0 && !f->error_) dx_patch_p_f_move(f, page);
    if (step != DX_PATCH_P_F_NEVER) dx_patch_p_f_decode(f, step);
    if (f->layout_.down)
        for (; page < f->moves_ && !f->error_; page++) dx_patch_p_f_move(f, page);
}

/* The slot holds neither base nor target: go on with the step that was interrupted. */
static void dx_patch_p_f_resume(dx_patch_flash *f)
{
    const dx_patch_p_layout *l = &f->layout_;
    uint32_t targets = dx_patch_p_pages(l, true), bases = dx_patch_p_pages(l, false), q;
    uint32_t a = f->moves_; /* from here on all pages have moved, or are decoded */
    while (a && dx_patch_p_f_matches(f, l->down, a - 1, a - 1 + l->gap)) a--;
    q = a ? a - 1 + l->gap : 0;
    if (!l->down && dx_patch_p_f_all_match(f, false, a))
        dx_patch_p_f_go_on(f, 0, a);
    else if (q < targets && dx_patch_p_f_all_match(f, true, q))
        dx_patch_p_f_go_on(f, l->down ? DX_PATCH_P_F_NEVER : q, l->down ? q : 0);
    else if (l->down && (a < f->moves_ || q < bases) &&
             dx_patch_p_f_all_match(f, false, q < bases ? q : bases))
        dx_patch_p_f_go_on(f, f->moves_ - a, 0);
    else
        dx_patch_p_f_fail(f, true, DX_PATCH_EBASE);
}

static int dx_patch_p_f_open(dx_patch_flash *f)
{
    dx_patch_header *h = &f->header_;
    dx_patch_p_layout *l = &f->layout_;
    const uint8_t *patch = (const uint8_t *)f->desc_.patch;
    uint64_t others;
    int error = dx_patch_p_check_whole(patch, f->desc_.patch_size, h);
    if (error) return error;
    if (h->kind != DX_PATCH_KIND_FLASH) return DX_PATCH_ENOTSUP;
    if (h->block_size % f->desc_.page_size) return DX_PATCH_ENOTSUP;
    if (h->body_size < 4 || h->body_size >> 31) return DX_PATCH_ECORRUPT;
    l->base_size = (uint32_t)h->base_size;
    l->target_size = (uint32_t)h->target_size;
    l->gap = dx_patch_p_load32(patch + DX_PATCH_HEADER_SIZE) >> 1;
    l->down = (patch[DX_PATCH_HEADER_SIZE] & 1) != 0;
    while (h->block_size >> l->bits > 1) l->bits++;
    f->moves_ = dx_patch_p_pages(l, l->down);
    others = dx_patch_p_pages(l, !l->down);
    f->stream_at_ = DX_PATCH_HEADER_SIZE + 4 * (1 + f->moves_ + (uint32_t)others);
    if (f->stream_at_ > DX_PATCH_HEADER_SIZE + h->body_size || !l->gap) return DX_PATCH_ECORRUPT;
    others = others > (uint64_t)f->moves_ + l->gap ? others : (uint64_t)f->moves_ + l->gap;
    return f->desc_.slot_size >> l->bits < others ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_flash_apply(dx_patch_flash *f, const dx_patch_flash_desc *desc)
{
    if (!f || !desc || !desc->io || !desc->page_size) return DX_PATCH_EINVAL;
    if (!desc->patch) return DX_PATCH_ENOPATCH;
    if (!dx_patch_p_hasher_is_sane(&desc->hasher)) return DX_PATCH_EINVAL;
    DX_PATCH_MEMSET(f, 0, sizeof *f);
    f->desc_ = *desc;
    f->error_ = dx_patch_p_f_open(f);
    if (!f->error_) dx_patch_p_f_decode(f, DX_PATCH_P_F_NEVER);
    if (f->error_) return f->error_;
    if (dx_patch_p_f_holds(f, true)) return DX_PATCH_EAPPLIED;
    if (dx_patch_p_f_holds(f, false))
        dx_patch_p_f_go_on(f, 0, f->layout_.down ? 0 : f->moves_);
    else if (!f->error_)
        dx_patch_p_f_resume(f);
    if (!f->error_) dx_patch_p_f_fail(f, !dx_patch_p_f_holds(f, true), DX_PATCH_ETARGET);
    return f->error_;
}

/* >>create ------------------------------------------------------------------- */
typedef struct dx_patch_p_job {
    const dx_patch_create_desc *desc;
    const uint8_t *base, *target;
    size_t base_size, target_size;
    uint8_t *out; /* the body */
    size_t capacity, used, checked;
    dx_patch_header header;
} dx_patch_p_job;

static uint32_t dx_patch_p_xor_at(const dx_patch_p_job *j, size_t i)
{
    uint32_t a = i < j->base_size ? j->base[i] : 0u, b = i < j->target_size ? j->target[i] : 0u;
    return a ^ b;
}

/* The next run in [at, end): no four zeros in a row. Few changes are told one by one if brief. */
static bool dx_patch_p_find_run(const dx_patch_p_job *j, size_t *at, size_t *size, size_t end)
{
    size_t i = *at, last, count = 0;
    size_t both = j->base_size < j->target_size ? j->base_size : j->target_size;
    if (both > end) both = end;
    while (i + 8 <= both && DX_PATCH_MEMCMP(j->base + i, j->target + i, 8) == 0) i += 8;
    while (i < end && !dx_patch_p_xor_at(j, i)) i++;
    *at = last = i;
    for (; i < end && i - last <= 4; count += i == last, i++)
        if (dx_patch_p_xor_at(j, i)) last = i;
    *size = last + 1 - *at;
    if (j->header.coding == DX_PATCH_CODING_BRIEF && 2 * count < 3 + *size) *size = 1;
    return *at < end;
}

static void dx_patch_p_put_run(dx_patch_p_writer *w, bool brief, size_t gap, size_t size)
{
    bool one = brief && size == 1 && gap < 224 + 31 * 256;
    if (one && gap >= 224) dx_patch_p_put_raw(w, 224 + (uint32_t)(gap - 224) / 256);
    if (one) dx_patch_p_put_raw(w, (uint32_t)(gap < 224 ? gap : gap - 224) & 255);
    if (one) return;
    if (brief) dx_patch_p_put_raw(w, 255);
    dx_patch_p_put_varint(w, gap);
    dx_patch_p_put_varint(w, size);
}

static int dx_patch_p_make_blocks(dx_patch_p_job *j)
{
    dx_patch_p_writer w;
    dx_patch_header *h = &j->header;
    size_t larger = j->base_size > j->target_size ? j->base_size : j->target_size, at, next = 0;
    h->block_size = j->desc->block_size ? j->desc->block_size : 4096;
    if (!dx_patch_p_is_block_size(h->block_size)) return DX_PATCH_EINVAL;
    if (!j->desc->codings || j->desc->codings >> 3) h->coding = DX_PATCH_CODING_BRIEF;
    h->reversible = !j->desc->one_way || j->target_size >= j->base_size;
    h->memory_size = DX_PATCH_P_SLACK + DX_PATCH_P_BLOCK;
    if (j->desc->memory_size < h->memory_size) return DX_PATCH_ENOMEM;
    if (!h->reversible) larger = j->target_size;
    DX_PATCH_MEMSET(&w, 0, sizeof w);
    dx_patch_p_writer_start(&w, DX_PATCH_P_PLAIN, j->out, j->capacity);
    for (at = 0; at < larger; at += h->block_size) {
        size_t end = larger - at < h->block_size ? larger : at + h->block_size, run, size, from;
        uint32_t count = 0;
        if (end <= j->base_size && end <= j->target_size &&
            DX_PATCH_MEMCMP(j->base + at, j->target + at, end - at) == 0)
            continue;
        for (run = at; dx_patch_p_find_run(j, &run, &size, end); run += size) count++;
        if (!count) continue;
        dx_patch_p_put_varint(&w, (at - next) / h->block_size);
        dx_patch_p_put_varint(&w, count);
        next = end;
        from = at;
        for (run = at; dx_patch_p_find_run(j, &run, &size, end); from = run) {
            dx_patch_p_put_run(&w, h->coding == DX_PATCH_CODING_BRIEF, run - from, size);
            for (; size; size--) dx_patch_p_put_raw(&w, dx_patch_p_xor_at(j, run++));
        }
    }
    j->used = w.size;
    return w.overflow ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}

/* The four bytes in front of a delta's stream. */
static void dx_patch_p_put_parameters(const dx_patch_p_maker *m, uint8_t *p)
{
    p[0] = (uint8_t)(m->literal_bits | m->diff_bits << 4);
    p[1] = (uint8_t)(DX_PATCH_P_LAYOUT + (m->map ? 1u : 0u));
    p[2] = (uint8_t)m->predictor.region_bits_;
    p[3] = (uint8_t)m->repeats.log;
}

/* Forget what was learned while writing. */
static void dx_patch_p_restart(dx_patch_p_maker *m)
{
    dx_patch_p_predictor *x = &m->predictor;
    uint32_t count = dx_patch_p_model_count(m->literal_bits, m->diff_bits);
    DX_PATCH_MEMSET(x->memory_, 0, 4 * DX_PATCH_P_MEMORY);
    x->flags_ = x->last_run_ = x->last_diff_ = 0;
    m->last_id = 0;
    dx_patch_p_models_start(m->writer.models, count);
    m->writer.counts = (uint8_t *)(m->writer.models + 2 * count);
    DX_PATCH_MEMSET(m->writer.counts, 0, count);
    m->repeats.count = m->repeats.last_back = m->repeats.after = m->repeats.misses = 0;
    m->repeats.literal_price = 16 * 6;
    if (m->repeats.log)
        DX_PATCH_MEMSET(m->repeats.heads, 0, sizeof *m->repeats.heads << m->repeats.heads_log);
}

/* Memory of the caller, from the front: the maker, models, corrections, covers. */
static void *dx_patch_p_cut_memory(uint8_t **at, size_t *left, size_t size)
{
    size_t skip = (size_t)(0 - (uintptr_t)*at) & 7;
    uint8_t *p = *at + skip;
    if (skip > *left || size > *left - skip) return NULL;
    *at = p + size;
    *left -= skip + size;
    return p;
}

#define DX_PATCH_P_LITERAL_BITS 4u
#define DX_PATCH_P_DIFF_BITS 3u
#define DX_PATCH_P_APPLY_MAX ((uint64_t)64 << 20)
#define DX_PATCH_P_HISTORY_LOG 22u /* most literals that are written for: 4 MiB */

/* Memory besides covers and table. */
#define DX_PATCH_P_FIXED 65536u
typedef char dx_patch_p_maker_fits[sizeof(dx_patch_p_maker) < 28000 ? 1 : -1];

/* Find the covers in the memory that is left. */
static int dx_patch_p_make_covers(dx_patch_p_maker *m, const dx_patch_p_job *j, uint8_t **rest,
                                  size_t *rest_size)
{
    dx_patch_p_finder *f = &m->finder;
    size_t most = j->target_size / 32 + 64, size, half, budget = j->desc->memory_size;
    uint8_t *at;
    if (budget < DX_PATCH_P_FIXED + 1024) return DX_PATCH_ENOMEM;
    budget -= DX_PATCH_P_FIXED;
    half = budget / 2 / sizeof *f->covers - 1;
    f->base = j->base;
    f->base_size = j->base_size;
    f->target = j->target;
    f->target_size = j->target_size;
    f->cover_capacity = most < half ? most : half;
    size = (f->cover_capacity + 1) * sizeof *f->covers; /* one in front: "the last of none" */
    f->covers = (dx_patch_p_cover *)dx_patch_p_cut_memory(rest, rest_size, size);
    if (!f->covers) return DX_PATCH_ENOMEM;
    f->covers++;
    DX_PATCH_ASSERT(*rest_size >= budget - size);
    *rest_size = budget - size;
    size = *rest_size / sizeof *f->table; /* a chain of all seeds, a table for a quarter */
    f->stride = (j->base_size + j->base_size / 4 + 64) / size + 1;
    size = j->base_size / f->stride + 1;
    f->table_count = size / 4 + 16;
    at = *rest;
    f->table = (uint32_t *)dx_patch_p_cut_memory(&at, &budget, f->table_count * sizeof *f->table);
    f->chain = (uint32_t *)dx_patch_p_cut_memory(&at, &budget, size * sizeof *f->chain);
    if (!f->table || !f->chain) return DX_PATCH_ENOMEM;
    dx_patch_p_find(f);
    for (half = 0, m->literals = j->target_size; half < f->cover_count; half++)
        m->literals -= f->covers[half].size;
    return DX_PATCH_OK;
}

/* The map that the other side will have, if files, memory and limit allow one. */
static void dx_patch_p_make_map(dx_patch_p_maker *m, const dx_patch_p_job *j, uint8_t **at,
                                size_t *left, uint64_t limit)
{
    dx_patch_p_predictor *x = &m->predictor;
    size_t i, count = m->finder.cover_count;
    m->map = count && !((uint64_t)j->base_size >> 32) && !((uint64_t)j->target_size >> 32) &&
             dx_patch_p_delta_memory(m->literal_bits, m->diff_bits, true, count, 0) <= limit;
    if (!m->map) return;
    x->covers_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 12 * count);
    x->order_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * count);
    m->map = x->covers_ && x->order_;
    if (!m->map) return;
    for (i = 0; i < count; i++) {
        x->covers_[3 * i] = (uint32_t)m->finder.covers[i].new_at;
        x->covers_[3 * i + 1] = (uint32_t)m->finder.covers[i].old_at;
        x->covers_[3 * i + 2] = (uint32_t)m->finder.covers[i].size;
    }
    x->count_ = (uint32_t)count;
    dx_patch_p_sort_covers(x);
    x->region_bits_ = j->target_size < (1u << 20) ? 8 : 12;
    x->segment_count_[0] = dx_patch_p_find_segments(j->base, j->base_size, x->segments_[0],
                                                    &x->origin_[0]);
    x->segment_count_[1] = dx_patch_p_find_segments(j->target, j->target_size, x->segments_[1],
                                                    &x->origin_[1]);
}

/* What finds repeats in the literals, as far as memory and limit go. */
static void dx_patch_p_make_repeats(dx_patch_p_maker *m, uint8_t **at, size_t *left, uint64_t room,
                                    uint64_t limit)
{
    dx_patch_p_repeats *r = &m->repeats;
    uint32_t log = 12;
    uint64_t used = dx_patch_p_delta_memory(m->literal_bits, m->diff_bits, m->map,
                                            m->finder.cover_count, 0);
    r->depth = 16;
    if (m->literals < 16 || m->literals >> 32 || limit < used) return;
    while (log < DX_PATCH_P_HISTORY_LOG && (uint64_t)1 << log < m->literals) log++;
    while (log > 11 && ((uint64_t)1 << log > limit - used || (uint64_t)9 << log > room)) log--;
    if (log < 12) return;
    r->heads_log = log;
    r->heads = (uint32_t *)dx_patch_p_cut_memory(at, left, sizeof *r->heads << r->heads_log);
    r->chain = (uint32_t *)dx_patch_p_cut_memory(at, left, sizeof *r->chain << log);
    r->ring = (uint8_t *)dx_patch_p_cut_memory(at, left, (size_t)1 << log);
    if (r->heads && r->chain && r->ring) r->log = log;
}

/* Nothing but literals, as they are: always possible, never much larger than the target. */
static int dx_patch_p_make_plain(dx_patch_p_job *j)
{
    dx_patch_p_writer w;
    size_t i;
    j->header.coding = DX_PATCH_CODING_PLAIN;
    j->header.memory_size = dx_patch_p_delta_memory(0, 0, false, 0, 0);
    dx_patch_p_writer_start(&w, DX_PATCH_P_PLAIN, j->out, j->capacity);
    for (i = 0; i < 4; i++) dx_patch_p_put_raw(&w, i == 1 ? DX_PATCH_P_LAYOUT : 0u);
    if (j->target_size) dx_patch_p_put_varint(&w, j->target_size);
    for (i = 0; i < j->target_size; i++) dx_patch_p_put_raw(&w, j->target[i]);
    j->used = w.size;
    return w.overflow ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}

/* The fixed part of the memory, and how many context bits applying may afford. */
static int dx_patch_p_make_room(dx_patch_p_maker *m, uint8_t **at, size_t *left, uint64_t limit)
{
    uint32_t models;
    m->literal_bits = DX_PATCH_P_LITERAL_BITS;
    m->diff_bits = DX_PATCH_P_DIFF_BITS;
    if (dx_patch_p_delta_memory(m->literal_bits, m->diff_bits, false, 0, 0) > limit)
        m->literal_bits = m->diff_bits = 0;
    if (dx_patch_p_delta_memory(m->literal_bits, m->diff_bits, false, 0, 0) > limit)
        return DX_PATCH_ETOOBIG;
    models = dx_patch_p_model_count(m->literal_bits, m->diff_bits);
    m->writer.models = (uint16_t *)dx_patch_p_cut_memory(at, left, 5 * (size_t)models);
    m->predictor.memory_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * DX_PATCH_P_MEMORY);
    if (!m->writer.models || !m->predictor.memory_) return DX_PATCH_ENOMEM;
    dx_patch_p_prices(m->writer.price);
    return DX_PATCH_OK;
}

static int dx_patch_p_make_delta(dx_patch_p_job *j)
{
    uint8_t *at = (uint8_t *)j->desc->memory;
    size_t left = j->desc->memory_size;
    uint64_t limit = j->desc->apply_memory_max ? j->desc->apply_memory_max : DX_PATCH_P_APPLY_MAX;
    uint32_t codings = j->desc->codings ? j->desc->codings : 3u;
    dx_patch_p_maker *m = (dx_patch_p_maker *)dx_patch_p_cut_memory(&at, &left, sizeof *m);
    uint64_t room;
    int error;
    if (!(codings & 3)) return DX_PATCH_ENOTSUP;
    if (!m) return DX_PATCH_ENOMEM;
    if (j->capacity < 4) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(m, 0, sizeof *m);
    error = dx_patch_p_make_room(m, &at, &left, limit);
    if (!error && !(codings & 2)) return dx_patch_p_make_plain(j);
    if (!error) error = dx_patch_p_make_covers(m, j, &at, &left);
    if (error) return error;
    room = left - 64; /* the same wherever the memory starts */
    if (m->literals > 200000 && room > 1u << 20 &&
        dx_patch_p_delta_memory(8, m->diff_bits, true, m->finder.cover_count, 22) <= limit) {
        uint32_t models = dx_patch_p_model_count(8, m->diff_bits);
        m->literal_bits = 8;
        m->writer.models = (uint16_t *)dx_patch_p_cut_memory(&at, &left, 5 * (size_t)models);
        room -= 5 * (uint64_t)models;
    }
    dx_patch_p_make_map(m, j, &at, &left, limit);
    if (m->map) room -= 16 * (uint64_t)m->finder.cover_count;
    dx_patch_p_make_repeats(m, &at, &left, room, limit);
    dx_patch_p_restart(m);
    j->header.coding = DX_PATCH_CODING_RANGE;
    j->header.memory_size = dx_patch_p_delta_memory(m->literal_bits, m->diff_bits, m->map,
                                                    m->finder.cover_count, m->repeats.log);
    dx_patch_p_put_parameters(m, j->out);
    dx_patch_p_writer_start(&m->writer, DX_PATCH_P_RANGE, j->out + 4, j->capacity - 4);
    dx_patch_p_put_delta(m);
    j->used = m->writer.overflow ? j->target_size : m->writer.size + 4;
    return j->used < j->target_size ? DX_PATCH_OK : dx_patch_p_make_plain(j);
}

/* >>create: in place on flash -------------------------------------------------- */
/* The next piece of a cover, from byte n on, that is still there when it is wanted. */
static bool dx_patch_p_next_piece(const dx_patch_p_finder *f, const dx_patch_p_layout *l,
                                  size_t *k, uint64_t n, dx_patch_p_cover *piece)
{
    for (; *k < f->cover_count; ++*k) {
        const dx_patch_p_cover *c = f->covers + *k;
        uint64_t i = n > c->new_at ? n - c->new_at : 0, start;
        for (; i < c->size; i++) {
            for (start = i; i < c->size; i++)
                if (!dx_patch_p_is_there(l, (uint32_t)(c->new_at + i), (uint32_t)(c->old_at + i)))
                    break;
            piece->new_at = c->new_at + start;
            piece->old_at = c->old_at + start;
            piece->size = i - start;
            if (piece->size >= 6) return true;
        }
    }
    return false;
}

static void dx_patch_p_put_pieces(dx_patch_p_maker *m, const dx_patch_p_layout *l)
{
    const dx_patch_p_finder *f = &m->finder;
    uint64_t n = 0, old_end = 0, gap, run;
    uint32_t last_run = 0;
    size_t k = 0;
    while (n < l->target_size) {
        dx_patch_p_cover c;
        bool more = dx_patch_p_next_piece(f, l, &k, n, &c);
        gap = (more ? c.new_at : l->target_size) - n;
        old_end += gap;
        dx_patch_p_put_number(&m->writer, 0, gap);
        for (; gap; gap--)
            dx_patch_p_put_tree(&m->writer, DX_PATCH_P_F_LITERAL, 8, f->target[n++]);
        if (!more) break;
        dx_patch_p_put_number(&m->writer, 1, c.size - 1);
        dx_patch_p_put_number(&m->writer, 2, dx_patch_p_fold(c.old_at - old_end));
        for (; c.size; c.size -= run, n += run, c.old_at += run) {
            uint32_t which = dx_patch_p_run_number(last_run) - DX_PATCH_P_N_RUN + DX_PATCH_P_F_RUN;
            for (run = 0; run < c.size && f->base[c.old_at + run] == f->target[n + run];) run++;
            last_run = run < c.size ? (uint32_t)run : 8;
            dx_patch_p_put_number(&m->writer, which, run < c.size ? run + 1 : 0);
            if (run == c.size) continue;
            dx_patch_p_put_tree(&m->writer, DX_PATCH_P_F_WRONG, 8,
                                (uint32_t)(f->target[n + run] - f->base[c.old_at + run]) & 255);
            run++;
        }
        old_end = c.old_at;
    }
    dx_patch_p_writer_finish(&m->writer);
}

/* The body for one direction; 0 when it does not fit. Memory behind `at` is free. */
static size_t dx_patch_p_put_flash(dx_patch_p_maker *m, const dx_patch_p_job *j,
                                   const dx_patch_p_layout *l, uint8_t *at, size_t left)
{
    dx_patch_create_desc desc = *j->desc;
    dx_patch_p_job turned = *j;
    uint8_t *base = (uint8_t *)dx_patch_p_cut_memory(&at, &left, j->base_size + 1);
    uint8_t *target = (uint8_t *)dx_patch_p_cut_memory(&at, &left, j->target_size + 1);
    size_t page = (size_t)1 << l->bits, used = 4;
    uint32_t i, side;
    i = dx_patch_p_pages(l, true) + dx_patch_p_pages(l, false);
    if (!base || !target || j->capacity / 4 < 2 + (size_t)i) return 0;
    for (i = 0; i < l->base_size; i++) base[i] = j->base[dx_patch_p_place(l, false, i)];
    for (i = 0; i < l->target_size; i++) target[i] = j->target[dx_patch_p_place(l, true, i)];
    desc.memory_size -= j->base_size + j->target_size + 64;
    turned.desc = &desc;
    turned.base = base;
    turned.target = target;
    if (dx_patch_p_make_covers(m, &turned, &at, &left)) return 0;
    dx_patch_p_store32(j->out, l->gap << 1 | (l->down ? 1u : 0u));
    for (side = 0; side < 2; side++) {
        const uint8_t *p = side ? j->target : j->base;
        size_t size = side ? j->target_size : j->base_size, n = 0;
        for (; n < size; n += page, used += 4)
            dx_patch_p_store32(j->out + used,
                               dx_patch_p_crc32c(0, p + n, size - n < page ? size - n : page));
    }
    dx_patch_p_models_start(m->writer.models, DX_PATCH_P_F_MODELS);
    dx_patch_p_writer_start(&m->writer, DX_PATCH_P_RANGE, j->out + used, j->capacity - used);
    dx_patch_p_put_pieces(m, l);
    return m->writer.overflow ? 0 : used + m->writer.size;
}

static int dx_patch_p_make_flash(dx_patch_p_job *j)
{
    dx_patch_header *h = &j->header;
    uint8_t *at = (uint8_t *)j->desc->memory;
    size_t left = j->desc->memory_size, size[2] = {0, 0}, i;
    dx_patch_p_maker *m = (dx_patch_p_maker *)dx_patch_p_cut_memory(&at, &left, sizeof *m);
    dx_patch_p_layout l;
    uint64_t pages, slot, need = (uint64_t)j->base_size + j->target_size + DX_PATCH_P_FIXED + 2048;
    if ((uint64_t)j->base_size >> 30 || (uint64_t)j->target_size >> 30) return DX_PATCH_ETOOBIG;
    h->block_size = j->desc->block_size ? j->desc->block_size : 4096;
    h->coding = DX_PATCH_CODING_RANGE;
    if (dx_patch_p_check_header(h, 0)) return DX_PATCH_EINVAL;
    if (!m || j->desc->memory_size < need) return DX_PATCH_ENOMEM;
    DX_PATCH_MEMSET(m, 0, sizeof *m);
    h->memory_size = 4 * DX_PATCH_P_F_MODELS;
    l.base_size = (uint32_t)j->base_size;
    l.target_size = (uint32_t)j->target_size;
    for (l.bits = 8; h->block_size >> l.bits > 1;) l.bits++;
    pages = dx_patch_p_pages(&l, l.target_size > l.base_size);
    slot = j->desc->slot_size ? j->desc->slot_size >> l.bits : pages + 2;
    if (slot <= pages || slot >> 30) return DX_PATCH_EINVAL;
    if (dx_patch_p_make_room(m, &at, &left, UINT64_MAX)) return DX_PATCH_ENOMEM;
    for (i = 0; i < 3; i++) { /* the third time the one that is to stay */
        l.down = i < 2 ? i == 1 : !size[0] || (size[1] && size[1] <= size[0]);
        if (i == 2 && l.down) break;
        l.gap = (uint32_t)slot - dx_patch_p_pages(&l, l.down);
        size[l.down ? 1 : 0] = dx_patch_p_put_flash(m, j, &l, at, left);
    }
    j->used = size[l.down ? 1 : 0];
    return j->used ? DX_PATCH_OK : DX_PATCH_ENOSPACE;
}

/* Apply the patch and compare with the target itself, which says more than a hash. */
static int dx_patch_p_check_write(void *user, const void *data, size_t size)
{
    dx_patch_p_job *j = (dx_patch_p_job *)user;
    if (size > j->target_size - j->checked) return DX_PATCH_ETARGET;
    if (DX_PATCH_MEMCMP(j->target + j->checked, data, size) != 0) return DX_PATCH_ETARGET;
    j->checked += size;
    return 0;
}

static int dx_patch_p_check_patch(dx_patch_p_job *j, const uint8_t *patch, size_t size)
{
    dx_patch_applier a;
    dx_patch_applier_desc d;
    int error;
    DX_PATCH_MEMSET(&d, 0, sizeof d);
    d.user = j;
    d.base = j->base_size ? (const void *)j->base : (const void *)j;
    d.base_size = j->base_size;
    d.write = dx_patch_p_check_write;
    d.memory = j->desc->memory;
    d.memory_size = j->desc->memory_size;
    d.skip_base_hash = d.skip_target_hash = true;
    error = dx_patch_applier_init(&a, &d);
    if (!error) error = dx_patch_applier_feed(&a, patch, size);
    if (!error) error = dx_patch_applier_finish(&a);
    DX_PATCH_ASSERT(!error || error == DX_PATCH_ENOMEM);
    return error == DX_PATCH_ESYS ? DX_PATCH_ETARGET : error;
}

DX_PATCH_API int dx_patch_create(const dx_patch_create_desc *desc, const void *base,
                                 size_t base_size, const void *target, size_t target_size,
                                 void *out, size_t out_capacity, size_t *out_size)
{
    dx_patch_p_job j;
    dx_patch_header *h = &j.header;
    uint8_t *p = (uint8_t *)out;
    int error;
    if (!desc || !desc->memory || !out || !out_size || (!base && base_size)) return DX_PATCH_EINVAL;
    if ((!target && target_size) || !dx_patch_p_hasher_is_sane(&desc->hasher))
        return DX_PATCH_EINVAL;
    *out_size = 0;
    if (out_capacity < DX_PATCH_HEADER_SIZE) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(&j, 0, sizeof j);
    j.desc = desc;
    j.base = (const uint8_t *)base;
    j.base_size = base_size;
    j.target = (const uint8_t *)target;
    j.target_size = target_size;
    j.out = p + DX_PATCH_HEADER_SIZE;
    j.capacity = out_capacity - DX_PATCH_HEADER_SIZE;
    h->kind = (uint8_t)(desc->kind ? desc->kind : DX_PATCH_KIND_DELTA);
    h->hash_kind = 1;
    if (h->kind == DX_PATCH_KIND_BLOCKS) error = dx_patch_p_make_blocks(&j);
    else if (h->kind == DX_PATCH_KIND_FLASH) error = dx_patch_p_make_flash(&j);
    else error = h->kind == DX_PATCH_KIND_DELTA ? dx_patch_p_make_delta(&j) : DX_PATCH_EINVAL;
    if (error) return error;
    h->base_size = base_size;
    h->target_size = target_size;
    h->body_size = j.used;
    h->body_crc = dx_patch_p_crc32c(0, j.out, j.used);
    dx_patch_p_hash_all(&desc->hasher, base, base_size, h->base_hash);
    dx_patch_p_hash_all(&desc->hasher, target, target_size, h->target_hash);
    dx_patch_p_store_header(p, h);
    if (!desc->skip_check && h->kind != DX_PATCH_KIND_FLASH)
        error = dx_patch_p_check_patch(&j, p, DX_PATCH_HEADER_SIZE + j.used);
    if (error) return error;
    h->trailer_size = desc->trailer_size;
    dx_patch_p_store_header(p, h);
    *out_size = DX_PATCH_HEADER_SIZE + j.used;
    return DX_PATCH_OK;
}

DX_PATCH_API size_t dx_patch_bound(const dx_patch_create_desc *desc, size_t base_size,
                                   size_t target_size)
{
    uint64_t larger = base_size > target_size ? base_size : target_size, bound;
    uint64_t block_size = desc && desc->block_size ? desc->block_size : 4096;
    if (desc && desc->kind == DX_PATCH_KIND_BLOCKS) bound = larger + (larger / block_size + 1) * 20;
    else if (desc && desc->kind == DX_PATCH_KIND_FLASH)
        bound = larger + larger / 8 + (larger / block_size + 1) * 8 + 64;
    else bound = (uint64_t)target_size + 32;
    bound += DX_PATCH_HEADER_SIZE;
    return bound > SIZE_MAX ? 0 : (size_t)bound;
}

DX_PATCH_API size_t dx_patch_create_memory_size(const dx_patch_create_desc *desc,
                                                size_t base_size, size_t target_size)
{
    uint64_t covers = sizeof(dx_patch_p_cover) * ((uint64_t)target_size / 32 + 66), size;
    uint64_t table = 5 * (uint64_t)base_size + 256, repeats = 5 * (uint64_t)target_size + 65536;
    if (desc && desc->kind == DX_PATCH_KIND_BLOCKS) return 2 * DX_PATCH_P_BLOCK;
    if (repeats > ((uint64_t)11 << DX_PATCH_P_HISTORY_LOG)) /* for its literals */
        repeats = (uint64_t)11 << DX_PATCH_P_HISTORY_LOG;
    if (table < repeats) table = repeats;
    if (table < covers) table = covers;
    size = DX_PATCH_P_FIXED + covers + table;
    if (desc && desc->kind == DX_PATCH_KIND_FLASH) size += (uint64_t)base_size + target_size + 128;
    return size > SIZE_MAX ? 0 : (size_t)size;
}

/* >>versions ------------------------------------------------------------- */
DX_PATCH_API int dx_patch_versions_init(dx_patch_versions *v, dx_patch_version *slots,
                                        size_t capacity)
{
    if (!v || !slots || !capacity) return DX_PATCH_EINVAL;
    v->slots_ = slots;
    v->capacity_ = capacity;
    v->count_ = v->first_ = 0;
    return DX_PATCH_OK;
}

DX_PATCH_API const dx_patch_version *dx_patch_versions_find(const dx_patch_versions *v,
                                                            const uint8_t *hash)
{
    size_t i;
    if (!v || !hash) return NULL;
    for (i = 0; i < v->count_; i++)
        if (DX_PATCH_MEMCMP(v->slots_[i].hash, hash, DX_PATCH_HASH_SIZE) == 0) return v->slots_ + i;
    return NULL;
}

DX_PATCH_API int dx_patch_versions_add(dx_patch_versions *v, const void *data, size_t size,
                                       dx_patch_version *evicted)
{
    dx_patch_version one, *slot;
    bool full;
    if (!v || (!data && size)) return DX_PATCH_EINVAL;
    DX_PATCH_MEMSET(&one, 0, sizeof one);
    if (evicted) *evicted = one;
    one.data = data;
    one.size = size;
    dx_patch_hash(data, size, one.hash);
    if (dx_patch_versions_find(v, one.hash)) return DX_PATCH_OK;
    full = v->count_ == v->capacity_;
    slot = v->slots_ + (full ? v->first_ : v->count_++);
    if (full && evicted) *evicted = *slot;
    if (full) v->first_ = (v->first_ + 1) % v->capacity_;
    *slot = one;
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_versions_patch(const dx_patch_versions *v, const uint8_t *base_hash,
                                         const dx_patch_create_desc *desc, const void *target,
                                         size_t target_size, void *out, size_t out_capacity,
                                         size_t *out_size)
{
    const dx_patch_version *base = dx_patch_versions_find(v, base_hash);
    if (!base) return v && base_hash ? DX_PATCH_ENOTFOUND : DX_PATCH_EINVAL;
    return dx_patch_create(desc, base->data, base->size, target, target_size, out, out_capacity,
                           out_size);
}

#endif /* DX_PATCH_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Copyright (c) 2026 dx authors. Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (www.unlicense.org)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR THE USE OF IT. */
