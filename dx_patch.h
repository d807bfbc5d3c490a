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
        if (error || out_size != strlen(new_text)) return 1;
        if (memcmp(out, new_text, out_size) != 0) return 1;

    CONTENTS (search >>)  config types api platform shared hash header coder plain predict
                          covers writer create blocks reader applier versions public license

    TWO KINDS OF PATCH, one container (128 bytes: sizes, both hashes, the memory that applying needs)
        blocks   XOR of fixed blocks: in place, undone by the same patch; for pages, records, images
                 of the same layout
        delta    covers of the old bytes, references predicted through the map of covers, and what
                 is left in an adaptive range coder: for programs, libraries, archives, anything that
                 moved; zstd may replace the coder where it is compiled in and smaller

    GUARANTEES  never allocates; no globals; no recursion; the result of applying is either the target
                whose hash stands in the patch, or an error. A patch for another base is refused before
                the first byte is written. The same input gives the same patch on every platform.
    LIMITS      create works on inputs in memory, delta references are predicted in files below
                4 GiB; one thread per object
    CONFIG      DX_PATCH_STATIC, DX_PATCH_API (extern), DX_PATCH_ASSERT(c) (assert), DX_PATCH_MEMCPY,
                DX_PATCH_MEMMOVE, DX_PATCH_MEMSET, DX_PATCH_MEMCMP (the compiler's), DX_PATCH_ZSTD
                (off; then the implementation includes <zstd.h>, link with -lzstd)
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

typedef enum dx_patch_error {
    DX_PATCH_OK = 0,
    DX_PATCH_EINVAL = -1,      /* an argument breaks its documented contract */
    DX_PATCH_ENOMEM = -2,      /* the memory given is smaller than what is needed */
    DX_PATCH_ENOSPACE = -3,    /* the output buffer is too small */
    DX_PATCH_ETOOBIG = -4,     /* a declared size is above the limit that the caller set */
    DX_PATCH_ECORRUPT = -5,    /* the bytes are damaged, or bytes follow the end of the patch */
    DX_PATCH_EAGAIN = -6,      /* not used here */
    DX_PATCH_ESYS = -7,        /* a callback failed: dx_patch_applier_callback_result() */
    DX_PATCH_ENOTSUP = -8,     /* asks for what this build or this kind cannot do (zstd, undo) */
    DX_PATCH_ENOTFOUND = -9,   /* no version with this hash is kept */
    DX_PATCH_ECANCELED = -10,  /* the progress callback said stop */
    DX_PATCH_ETRUNCATED = -11, /* the patch ends too early */
    DX_PATCH_EVERSION = -12,   /* a version, kind, hash, coding, flag or predictor unknown here */
    DX_PATCH_EHEADER = -32,    /* not a patch, or its header is damaged or contradicts itself */
    DX_PATCH_EBLOCK = -33,     /* a block record is malformed */
    DX_PATCH_EBOUNDS = -34,    /* an instruction reaches outside of the old or the new bytes */
    DX_PATCH_ENOBASE = -35,    /* no base was given */
    DX_PATCH_ENOPATCH = -36,   /* no patch was given */
    DX_PATCH_EBASE = -37,      /* the base is not the one this patch was made for */
    DX_PATCH_EAPPLIED = -38,   /* the base already is the target of this patch */
    DX_PATCH_ETARGET = -39     /* the result does not have the hash that the patch promises */
} dx_patch_error;

typedef enum dx_patch_kind {
    DX_PATCH_KIND_BLOCKS = 1,
    DX_PATCH_KIND_DELTA = 2
} dx_patch_kind;

typedef enum dx_patch_coding {
    DX_PATCH_CODING_PLAIN = 0,
    DX_PATCH_CODING_RANGE = 1,
    DX_PATCH_CODING_ZSTD = 2
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
    uint32_t block_size;       /* blocks: 64..65536, a power of two; 0 = 4096 */
    uint32_t trailer_size;     /* bytes that the caller will append for a signature; 0 = none */
    uint32_t codings;          /* delta: bits 1 << dx_patch_coding; 0 = all that this build has */
    uint64_t apply_memory_max; /* bytes that applying may need; 0 = 64 MiB */
    bool one_way;              /* blocks: drop what a shrinking target cuts off; no undo then */
    bool skip_check;           /* do not apply the patch once before reporting success */
    dx_patch_hasher hasher;    /* zero = the portable one inside */
} dx_patch_create_desc;

/* Callbacks return 0, or any other value to stop with DX_PATCH_ESYS. */
typedef struct dx_patch_applier_desc {
    void *user; /* handed to the callbacks */
    /* Required. Fill out with exactly size bytes of the base from offset on. */
    int (*read)(void *user, uint64_t offset, void *out, size_t size);
    /* Required. The next size bytes of the target, in order. */
    int (*write)(void *user, const void *data, size_t size);
    /* Optional. Bytes done of total, base hashing included; not 0 = stop with ECANCELED. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    uint64_t base_size;       /* bytes of the base that read can reach */
    void *memory;             /* required, any alignment; borrowed until finish */
    size_t memory_size;       /* bytes; at least memory_size of the patch */
    uint64_t target_size_max; /* bytes; 0 = no limit */
    bool undo;                /* blocks: the base is the target, produce what it was made from */
    dx_patch_hasher hasher;   /* zero = the portable one inside */
} dx_patch_applier_desc;

typedef struct dx_patch_p_blake3 {
    uint32_t key_[8], cv_[8];
    uint64_t chunk_;
    uint8_t block_[64];
    uint8_t block_size_, blocks_, stack_size_;
    uint8_t stack_[54 * 32];
} dx_patch_p_blake3;

/* Decoder state. The arrays that it points to lie in the memory of the descriptor. */
typedef struct dx_patch_p_decoder {
    uint32_t range_, code_;
    uint16_t *models_;
    uint8_t *old_, *new_, *mask_;
    uint32_t *map_, *order_;
    void *zstd_;
    uint32_t literal_bits_, cover_count_, cover_at_, map_on_, segment_count_[2];
    uint32_t carry_size_, last_id_, block_used_, history_[4];
    uint8_t carry_[8], last_literal_;
    uint64_t segments_[2][8][3];
    uint64_t literal_left_, cover_left_, cover_old_, last_old_, new_end_;
} dx_patch_p_decoder;

typedef struct dx_patch_applier { /* caller-allocated; fields are private */
    dx_patch_applier_desc desc_;
    dx_patch_header header_;
    dx_patch_p_blake3 blake3_;
    dx_patch_p_decoder decoder_;
    uint64_t received_, produced_, base_done_;
    uint32_t crc_, in_size_, in_at_;
    int error_, callback_result_, state_;
    uint64_t block_index_, block_left_, run_at_;
    uint8_t in_[1024];
} dx_patch_applier;

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

/* Bytes of memory with which dx_patch_create() finds everything; 0 when above SIZE_MAX. With less,
   down to a quarter of it, delta patches become larger; other memory gives another patch. */
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

/* Blocks: turn the base_size bytes in buffer into the target, all or nothing: after an error the
   buffer is as it was. buffer_capacity covers the larger of both. ENOTSUP for a delta. */
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
