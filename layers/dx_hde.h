/*  dx_hde.h - v0.3.0 - states of things that change, as small records - MIT-0 or public domain

    Do this in ONE C or C++ file (dx_patch.h, on which this layer stands, is included from here):

        #define DX_HDE_IMPLEMENTATION         (or DX_IMPLEMENTATION for every dx header)
        #include "layers/dx_hde.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static unsigned char memory[1 << 21], state[4096], record[4096 + DX_HDE_HEAD_MAX];
        dx_hde h;
        dx_hde_desc desc;
        size_t record_size;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.state_max = sizeof state;
        if (dx_hde_init(&h, &desc)) return 1;
        int error = dx_hde_encode(&h, 1, 0, state, sizeof state, record, sizeof record,
                                  &record_size); // the whole state: there is no baseline
        state[100] = 7;
        if (!error) error = dx_hde_encode(&h, 1, 33, state, sizeof state, record, sizeof record,
                                          &record_size); // what differs: some 100 bytes
        if (error) printf("%s\n", dx_hde_error_name(error));

    A sender has states of many things, a key for each, and reports them to others; most of a state
    is as it was. dx_hde_encode() writes a record: the whole state, or a delta against a baseline,
    which the record names by its BLAKE3-256. dx_hde_decode() returns exactly that state, or an
    error. A receiver that lacks the baseline gets ENOTFOUND, sends dx_hde_write_nack(), and
    receives a whole state next:

        sender                                             receiver
        state 1 --> WHOLE, keep          ---------------->  state 1, kept
        state 2 --> DELTA on state 1     ------- lost
        state 3 --> DELTA on state 1     ---------------->  state 3
                                                            restarts and forgets
        state 4 --> DELTA on state 1     ---------------->  ENOTFOUND
                    dx_hde_read_nack()   <----------------  dx_hde_write_nack(): no state 1
        state 5 --> WHOLE, keep          ---------------->  state 5, kept

    CONTENTS (search >>)  config types api platform shared blake3 coder memory hash
                          baselines pieces survey range zstd records encode decode
                          dictionaries license

    GUARANTEES  lossless; no allocation of its own; no globals; no recursion; what a record says is
                checked before it is used; a refused record changes nothing that is kept
    LIMITS      states below 2 GiB
    SIZE        code: x86-64 22,224, Cortex-M0 14,754; objects: dx_hde 512, plus
                dx_hde_memory_size()
    THREADS     One at a time for each object; objects share nothing: for parallel work, divide the
                keys among several.
    CONFIG      DX_HDE_ZSTD (and -lzstd): records may be compressed by zstd, with levels and trained
                dictionaries; without it such records are refused (ENOTSUP), all else is the same.
                DX_PATCH_NO_CREATE: without the search of dx_patch.h, which levels from 6 on also
                try; records made with it can still be read.
                DX_HDE_BLAKE3(offset, p, size, value): a faster hash of whole pages, as
                DX_PATCH_BLAKE3 (default: that of dx_cas.h if its implementation precedes this one)
                DX_HDE_STATIC, DX_HDE_API (extern), DX_HDE_ASSERT(c) (assert),
                DX_HDE_MEMCPY, DX_HDE_MEMMOVE, DX_HDE_MEMSET, DX_HDE_MEMCMP
    ERRORS      dx_hde_error: 0 = ok, negative = reason, with the values of dx_patch.h, whose
                reasons are passed on; dx_hde_error_name()
    OWNERSHIP   the caller owns every buffer; a parameter that is kept says "borrowed"
    FORMAT      docs/formats/hde.md (normative)
*/
#ifndef DX_HDE_H
#define DX_HDE_H

#define DX_HDE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_PATCH_H
  #include "../dx_patch.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifdef DX_HDE_API
#elif !defined(DX_HDE_STATIC)
  #define DX_HDE_API extern
#elif defined(__GNUC__) || defined(__clang__)
  #define DX_HDE_API static __attribute__((unused))
#else
  #define DX_HDE_API static
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
enum {
    DX_HDE_HEAD_MAX = 96, /* bytes of a record besides its body; a nack has no more */
    DX_HDE_LOCAL = -1,    /* levels: no search, the least work; */
    DX_HDE_REGIONAL = 3,  /* the default; */
    DX_HDE_GLOBAL = 9     /* everything is tried */
};

#define DX_HDE_ERRORS(X)                                                                           \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its documented contract */                            \
    X(-2, ENOMEM)      /* the memory given is too small */                                         \
    X(-3, ENOSPACE)    /* the output buffer is too small */                                        \
    X(-4, ETOOBIG)     /* a state is above state_max */                                            \
    X(-5, ECORRUPT)    /* the bytes are damaged */                                                 \
    X(-6, EAGAIN)      /* dictionaries: too early, or too few samples */                           \
    X(-7, ESYS)        /* dictionaries: zstd cannot make one of these samples */                   \
    X(-8, ENOTSUP)     /* zstd is not here */                                                      \
    X(-9, ENOTFOUND)   /* the baseline or the dictionary is not here: send a nack */               \
    X(-11, ETRUNCATED) /* the record ends too early */                                             \
    X(-12, EVERSION)   /* a kind, coding or flag that is unknown here, or a nack */                \
    X(-32, EHEADER)    /* not a record, or its head contradicts itself */                          \
    X(-34, EBOUNDS)    /* the record reaches outside of the state or the baseline */               \
    X(-37, EBASE)      /* two records that do not follow each other, or a patch of another base */ \
    X(-38, EAPPLIED)   /* a record's patch has the baseline as its target, which none has */       \
    X(-39, ETARGET)    /* not the state that was encoded */

typedef enum dx_hde_error {
#define DX_HDE_P_ENUM(value, constant) DX_HDE_##constant = value,
    DX_HDE_ERRORS(DX_HDE_P_ENUM)
#undef DX_HDE_P_ENUM
} dx_hde_error;

typedef enum dx_hde_kind {
    DX_HDE_WHOLE = 1,
    DX_HDE_DELTA = 2,
    DX_HDE_PATCH = 3, /* a delta whose body dx_patch_create() made */
    DX_HDE_NACK = 4   /* no state: the receiver lacks a baseline or a dictionary */
} dx_hde_kind;

typedef enum dx_hde_coding {
    DX_HDE_PLAIN = 0,
    DX_HDE_RANGE = 1,
    DX_HDE_ZSTD_FRAME = 2
} dx_hde_coding;

#define DX_HDE_PREFIX 0x80000000u /* ids of dictionaries are below, those of prefixes not */

typedef struct dx_hde_zstd { /* with DX_HDE_ZSTD; borrowed; may change between calls */
    void *cctx;                /* ZSTD_CCtx, to encode */
    void *dctx;                /* ZSTD_DCtx, to decode */
    const void *cdict;         /* ZSTD_CDict for whole states; NULL: none */
    const void *const *ddicts; /* ZSTD_DDicts of all versions that may arrive */
    uint32_t ddict_count;
    const void *prefix;        /* bytes that both sides have, such as what precedes the state; NULL:
                                  none. A whole state may refer to them, instead of a dictionary */
    size_t prefix_size;        /* up to 64 MiB; more helps nothing */
    uint32_t prefix_id;        /* DX_HDE_PREFIX and above: which bytes they are, as a checksum */
} dx_hde_zstd;

typedef struct dx_hde_desc { /* zero = the default given after each field */
    void *memory;           /* borrowed: all baselines and all work; nothing else is ever taken */
    size_t memory_size;     /* bytes; dx_hde_memory_size(). Less keeps fewer baselines */
    uint32_t state_max;     /* bytes of a state, below 2^31; 16 MiB */
    uint32_t baselines_max; /* 16; up to 65,536. A decoder keeps two for each key */
    uint32_t chain_max;     /* deltas between two whole states, 1..1000; 10 */
    uint64_t interval_ms;   /* max time between whole states, 1 s .. 24 h; 5 min */
    uint64_t age_max_ms;    /* baselines that are older are forgotten; 15 min */
    int32_t level;          /* DX_HDE_LOCAL, 1 (fast) .. 9 (small; from 6 all ways are tried); 3 */
    uint32_t hash_size;     /* bytes of the hashes in a record: 32, 16 or 8; 32 */
    uint32_t slow_ms;       /* dx_hde_adapt_level(): longer lowers the level; 100 */
    uint32_t ratio_wanted;  /* dx_hde_adapt_level(): state bytes for 100 record bytes that are
                               enough; 0: as many as the level gives */
    bool rolling;           /* each state is the baseline of the next: smaller, but a lost record
                               takes a nack and a whole state. false: only whole states are */
    bool plain;             /* every record is a whole state as it is */
    const dx_hde_zstd *zstd; /* NULL: the layer's own coding only */
    uint64_t seed[2];        /* of the hash of keys; random where strangers choose keys */
} dx_hde_desc;

typedef struct dx_hde_record { /* what a record says about itself */
    uint8_t kind;         /* dx_hde_kind */
    uint8_t coding;       /* dx_hde_coding */
    uint8_t stride_log;   /* of the coding: byte i changes like byte i - (1 << stride_log) */
    uint8_t literal_bits; /* of the coding: bits of the byte before that predict a literal */
    bool subtract;        /* changed bytes are differences; false: XOR */
    bool keep;            /* this state is a baseline from now on */
    uint8_t hash_size;    /* bytes that count of the hashes below; the rest is zero */
    uint32_t dictionary;  /* id; 0: none */
    uint32_t head_size;   /* bytes before the body */
    uint64_t state_size;  /* bytes */
    uint64_t body_size;   /* bytes */
    uint8_t hash[32];     /* the first bytes of the state's BLAKE3-256 */
    uint8_t baseline[32]; /* the same of the baseline; nack: of the missing one */
} dx_hde_record;

typedef struct dx_hde_stats { /* since init */
    uint64_t encoded;         /* records */
    uint64_t decoded;         /* records */
    uint64_t deltas;          /* of encoded */
    uint64_t refreshes;       /* whole states though there was a baseline */
    uint64_t nacks;           /* that were followed */
    uint64_t evicted;         /* baselines that made room for others */
    uint64_t pruned;          /* baselines that were too old */
    uint64_t state_bytes;     /* of all encoded states */
    uint64_t record_bytes;    /* of all encoded records */
    uint64_t encode_ms;       /* as told to dx_hde_adapt_level() */
    uint32_t baselines;       /* kept now */
    uint32_t hit_percent;     /* deltas of encoded */
    uint32_t ratio_percent;   /* state_bytes for 100 record_bytes */
    int32_t level;            /* now */
} dx_hde_stats;

typedef struct dx_hde_p_baseline dx_hde_p_baseline;

typedef struct dx_hde_p_piece { /* of a state: where its bytes are found; >>pieces */
    uint32_t new_at; /* offset in the state */
    uint32_t old_at; /* offset in the baseline; DX_HDE_P_AGAIN: in the state */
    uint32_t size;
    uint32_t kind;
} dx_hde_p_piece;

typedef struct dx_hde { /* caller-allocated; fields are private */
    dx_hde_desc desc_; /* with its defaults in place of zeros */
    dx_hde_stats stats_;
    dx_hde_p_baseline *kept_; /* baselines_max of them, used or free */
    uint32_t *heads_;         /* chains of baselines by hash of their key */
    uint32_t *order_;         /* the used ones by their place in the room */
    uint8_t *room_;           /* baselines' bytes, hashes and tables */
    size_t room_size_;
    uint8_t *scratch_;        /* models, seen and pieces together, for dx_patch_create() */
    size_t scratch_size_;
    uint8_t *work_;           /* zstd: the parts of a delta */
    size_t work_size_;
    uint8_t *same_;           /* for each page of the state: is it that of the baseline? */
    uint8_t *values_;         /* hashes of the state's pages and groups of pages */
    uint32_t *models_;        /* probabilities of the coder; the survey counts in them */
    uint32_t *seen_;          /* by hash of 8 bytes: where they last were in the state, plus 1 */
    dx_hde_p_piece *pieces_;
    uint32_t piece_count_;
    uint32_t piece_max_;
    uint32_t heads_log_;
    uint32_t seen_log_;
    uint32_t useless_;  /* pages searched in a row in which nothing worth it was found */
    uint32_t literals_; /* bytes in no piece */
    uint32_t residual_; /* bytes in pieces that change */
    uint32_t changed_;  /* how many of these do change, about */
    uint64_t serial_;   /* of the next baseline: they are numbered by age */
    uint64_t due_ms_;   /* nothing is to be pruned before */
    uint32_t window_;   /* encodes in a row that were not slow */
    uint64_t window_bytes_;        /* of their states */
    uint64_t window_record_bytes_; /* of their records */
    uint32_t refused_dictionary_;  /* id that a receiver lacks; 0: none */
    uint16_t rates_[64];           /* how fast a model learns, by bits that it has seen */
} dx_hde;

/* >>api ---------------------------------------------------------------- */
/* Sizes are in bytes, times in ms of any clock that does not go back. A key says what a state is a
   state of; both sides use the same. Functions that return int return dx_hde_error. */

/* "DX_HDE_ECORRUPT" and so on; "unknown error" for any other value. Static storage. */
DX_HDE_API const char *dx_hde_error_name(int error);

/* Memory in which baselines_max of the largest states fit; 0 when that is above SIZE_MAX, or when
   the descriptor breaks its contract. */
DX_HDE_API size_t dx_hde_memory_size(const dx_hde_desc *desc);

/* *desc is copied. EINVAL; ENOMEM: not even one state fits; ENOTSUP: zstd without DX_HDE_ZSTD. */
DX_HDE_API int dx_hde_init(dx_hde *hde, const dx_hde_desc *desc);

/* Write the record of a state; size + DX_HDE_HEAD_MAX bytes of out are always enough. ETOOBIG:
   above state_max; ENOSPACE; after either nothing has changed. */
DX_HDE_API int dx_hde_encode(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *state,
                             size_t size, void *out, size_t out_capacity, size_t *out_size);

/* Decode the state of a record. ENOTFOUND: its baseline or its dictionary is missing; ETOOBIG:
   above state_max; ENOSPACE; ETRUNCATED, EHEADER, EVERSION, ECORRUPT, EBOUNDS, EBASE, EAPPLIED:
   damaged; ENOTSUP: no zstd here; ETARGET: not the state that was encoded. After an error the
   content of out is undefined, and kept baselines are unchanged. */
DX_HDE_API int dx_hde_decode(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *record,
                             size_t record_size, void *out, size_t out_capacity, size_t *out_size);

/* Read the head of a complete record and verify its checksum. ETRUNCATED, EHEADER,
   EVERSION, ECORRUPT. */
DX_HDE_API int dx_hde_info(const void *record, size_t size, dx_hde_record *info);

/* For a record that decode refused with ENOTFOUND: write a nack that names the missing baseline or
   dictionary into DX_HDE_HEAD_MAX bytes. */
DX_HDE_API int dx_hde_write_nack(const void *record, size_t record_size, void *nack,
                                 size_t *nack_size);

/* At the sender. OK: the next record of the key is a whole state (without the dictionary, if that
   is missing): encode it now. ENOTFOUND: the key has moved on since then: do nothing. */
DX_HDE_API int dx_hde_read_nack(dx_hde *hde, uint64_t key, const void *nack, size_t nack_size);

/* Use a state that the other side has, too, as the only baseline of a key. ETOOBIG. */
DX_HDE_API int dx_hde_keep(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *state,
                           size_t size);

/* Forget the baselines of a key: its next record is a whole state. Returns how many there were. */
DX_HDE_API uint32_t dx_hde_drop(dx_hde *hde, uint64_t key);

/* Forget baselines older than age_max_ms; encode and decode do so as well. Returns how many. */
DX_HDE_API uint32_t dx_hde_prune(dx_hde *hde, uint64_t now_ms);

/* Make one record of two, the second of which is a delta on the state of the first: a delta on the
   baseline of the first, which must be kept here. work: room for both states. Errors as for decode;
   ENOMEM: work is too small; EBASE: the records do not follow each other (nothing follows into a
   whole state). */
DX_HDE_API int dx_hde_compose(dx_hde *hde, uint64_t key, const void *first, size_t first_size,
                              const void *second, size_t second_size, void *work, size_t work_size,
                              void *out, size_t out_capacity, size_t *out_size);

/* Report how long the last encode took, and whether other work waits. More than slow_ms, or busy:
   the level goes down by one. After 100 in a row that were neither it goes up again, at most to
   that of the descriptor; with ratio_wanted it goes down instead where the last 100 did better. */
DX_HDE_API void dx_hde_adapt_level(dx_hde *hde, uint64_t ms, bool busy);

DX_HDE_API void dx_hde_get_stats(const dx_hde *hde, dx_hde_stats *stats);

#ifdef DX_HDE_ZSTD
/* Dictionaries for states of one type, from samples of it. zstd's trainer allocates its memory. */
typedef struct dx_hde_trainer { /* zero it, and set these: zero = the default after each */
    void *memory;         /* required; borrowed; holds the samples */
    size_t memory_size;   /* bytes */
    uint32_t samples_max; /* 1000 */
    uint32_t sample_min;  /* bytes; 1 KiB */
    uint64_t interval_ms; /* between two dictionaries; 24 h */
    uint32_t version;     /* of the last one: its id is 32768 + version */
    uint32_t count_;      /* samples */
    size_t used_;         /* their bytes */
    uint64_t trained_ms_;
} dx_hde_trainer;

/* Copy a sample. EINVAL: smaller than sample_min; ENOSPACE: there are enough. */
DX_HDE_API int dx_hde_trainer_add(dx_hde_trainer *trainer, const void *sample, size_t size);

/* Up to 128 KiB for ZSTD_createCDict() and ZSTD_createDDict(); the samples are gone then. EAGAIN:
   too early, or fewer than 8 samples; ESYS: zstd cannot make one of them. */
DX_HDE_API int dx_hde_train(dx_hde_trainer *trainer, uint64_t now_ms, void *dictionary,
                            size_t capacity, size_t *size);
#endif

#ifdef __cplusplus
}
#endif
#endif /* DX_HDE_H */

#if (defined(DX_HDE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_HDE_IMPLEMENTED)
#define DX_HDE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_HDE_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_HDE_ASSERT(c) assert(c)
  #else
    #define DX_HDE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_HDE_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_HDE_P_MEM(name) name
#endif
#ifndef DX_HDE_MEMCPY
  #define DX_HDE_MEMCPY DX_HDE_P_MEM(memcpy)
#endif
#ifndef DX_HDE_MEMMOVE
  #define DX_HDE_MEMMOVE DX_HDE_P_MEM(memmove)
#endif
#ifndef DX_HDE_MEMSET
  #define DX_HDE_MEMSET DX_HDE_P_MEM(memset)
#endif
#ifndef DX_HDE_MEMCMP
  #define DX_HDE_MEMCMP DX_HDE_P_MEM(memcmp)
#endif
#ifdef DX_HDE_ZSTD
  #include <zdict.h>
  #include <zstd.h>
#endif
/* Reasons of dx_patch.h pass through here as they are. */
typedef char dx_hde_p_reasons_are_those_of_dx_patch
    [(int)DX_HDE_ETARGET == (int)DX_PATCH_ETARGET && (int)DX_HDE_EBOUNDS == (int)DX_PATCH_EBOUNDS &&
     (int)DX_HDE_EHEADER == (int)DX_PATCH_EHEADER && (int)DX_HDE_EBASE == (int)DX_PATCH_EBASE &&
     (int)DX_HDE_EAPPLIED == (int)DX_PATCH_EAPPLIED ? 1 : -1];

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_hde_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_hde_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_hde_p_load32(p) | (uint64_t)dx_hde_p_load32(p + 4) << 32;
}

static void dx_hde_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x82f63b78 reflected, a nibble at a
   time so that the table is 64 bytes. Start with crc = 0; feed pieces in order. */
static uint32_t dx_hde_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), for tables whose keys come
   from others: without the seed nobody can tell which keys collide. One round for each word of the
   input, three at the end. */
static inline uint64_t dx_hde_p_rotate_left(uint64_t v, unsigned n)
{
    DX_HDE_ASSERT(n > 0 && n < 64);
    return v << n | v >> (64 - n);
}

static inline void dx_hde_p_sip_start(uint64_t v[4], const uint64_t seed[2])
{
    v[0] = seed[0] ^ 0x736f6d6570736575u;
    v[1] = seed[1] ^ 0x646f72616e646f6du;
    v[2] = seed[0] ^ 0x6c7967656e657261u;
    v[3] = seed[1] ^ 0x7465646279746573u;
}

static inline void dx_hde_p_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = dx_hde_p_rotate_left(v[1], 13) ^ v[0];
    v[0] = dx_hde_p_rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = dx_hde_p_rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = dx_hde_p_rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = dx_hde_p_rotate_left(v[1], 17) ^ v[2];
    v[2] = dx_hde_p_rotate_left(v[2], 32);
}

static inline void dx_hde_p_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    dx_hde_p_sip_round(v);
    v[0] ^= word;
}

/* last: the bytes that fill no word, with the size of the input as the highest one. */
static inline uint64_t dx_hde_p_sip_end(uint64_t v[4], uint64_t last)
{
    unsigned i;
    dx_hde_p_sip_word(v, last);
    v[2] ^= 255;
    for (i = 0; i < 3; i++) dx_hde_p_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs, section 2.2): the compression of one block. */
enum { /* flags of BLAKE3's compression */
    DX_HDE_P_B3_CHUNK_START = 1,
    DX_HDE_P_B3_CHUNK_END = 2,
    DX_HDE_P_B3_PARENT = 4,
    DX_HDE_P_B3_ROOT = 8
};
#define DX_HDE_P_B3_BLOCK 64u

/* The key of the plain hash: the first words of SHA-256's state. */
static void dx_hde_p_blake3_iv(uint32_t key[8])
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    DX_HDE_MEMCPY(key, iv, sizeof iv);
}

#define DX_HDE_P_B3_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
/* The quarter round: mixes two message words into a column or a diagonal of the 4x4 state. */
#define DX_HDE_P_B3_G(a, b, c, d, x, y)  \
    do {                                 \
        a += b + m[x];                   \
        d = DX_HDE_P_B3_ROTR(d ^ a, 16); \
        c += d;                          \
        b = DX_HDE_P_B3_ROTR(b ^ c, 12); \
        a += b + m[y];                   \
        d = DX_HDE_P_B3_ROTR(d ^ a, 8);  \
        c += d;                          \
        b = DX_HDE_P_B3_ROTR(b ^ c, 7);  \
    } while (0)
/* A round: four columns, four diagonals. The arguments are the order of the message words. */
#define DX_HDE_P_B3_ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if) \
    do {                                                                                  \
        DX_HDE_P_B3_G(v0, v4, v8, vc, i0, i1);                                            \
        DX_HDE_P_B3_G(v1, v5, v9, vd, i2, i3);                                            \
        DX_HDE_P_B3_G(v2, v6, va, ve, i4, i5);                                            \
        DX_HDE_P_B3_G(v3, v7, vb, vf, i6, i7);                                            \
        DX_HDE_P_B3_G(v0, v5, va, vf, i8, i9);                                            \
        DX_HDE_P_B3_G(v1, v6, vb, vc, ia, ib);                                            \
        DX_HDE_P_B3_G(v2, v7, v8, vd, ic, id);                                            \
        DX_HDE_P_B3_G(v3, v4, v9, ve, ie, if);                                            \
    } while (0)

/* Compress a block, of which block_size bytes count (the rest must be zero), into a chaining value.
   The counter is the chunk's number; a parent has 0. */
static void dx_hde_p_hash_compress(uint32_t cv[8], const uint8_t block[64], uint32_t block_size,
                                     uint64_t counter, uint32_t flags)
{
    static const uint8_t order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    uint32_t old[16], m[16];
    uint32_t v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    uint32_t v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    uint32_t v8 = 0x6a09e667u, v9 = 0xbb67ae85u, va = 0x3c6ef372u, vb = 0xa54ff53au;
    uint32_t vc = (uint32_t)(counter & 0xffffffffu), vd = (uint32_t)(counter >> 32);
    uint32_t ve = block_size, vf = flags;
    unsigned i, round;
    DX_HDE_ASSERT(block_size <= DX_HDE_P_B3_BLOCK);
    DX_HDE_ASSERT(!(flags & DX_HDE_P_B3_PARENT) || (block_size == 64 && counter == 0));
    for (i = 0; i < 16; i++) m[i] = dx_hde_p_load32(block + 4 * i);
    for (round = 0; round < 7; round++) {
        DX_HDE_P_B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (i = 0; i < 16; i++) old[i] = m[i];
        for (i = 0; i < 16; i++) m[i] = old[order[i]];
    }
    const uint32_t out[8] = {v0 ^ v8, v1 ^ v9, v2 ^ va, v3 ^ vb,
                             v4 ^ vc, v5 ^ vd, v6 ^ ve, v7 ^ vf};
    DX_HDE_MEMCPY(cv, out, sizeof out);
}

/* >>blake3 --------------------------------------------------------------
   Every record has the hash of its state, and most of a state is unchanged. BLAKE3 is a tree above
   chunks of 1,024 bytes, so the values of subtrees can be stored with a baseline, and only changed
   parts are hashed again:

       root                    .------------ * ------------.
       groups of 16 pages      G0             G1           rest
       pages of 4 chunks       P0 P1 ... P15  P16 ... P31  P32, and at most a page
       state                   |4096|4096| ...

       values   | P0 | P1 | ... | last P | G0 | G1 | ...     32 bytes each, with the baseline

   A page that is equal to the baseline's takes its value from there: comparing is several times
   faster than hashing. A page is the smallest unit because its four chunks go through the vector
   units side by side. The last page has no value of its own, because its place in the tree depends
   on the bytes after it: it is always hashed. */
enum {
    DX_HDE_P_PAGE = 4096, /* four chunks */
    DX_HDE_P_GROUP = 16,  /* pages whose joined value is kept, too */
    DX_HDE_P_CHUNK = 1024
};


/* A value as bytes, as a parent takes it. */
static void dx_hde_p_store_value(uint8_t *value, const uint32_t cv[8])
{
    unsigned i;
    for (i = 0; i < 8; i++) dx_hde_p_store32(value + 4 * i, cv[i]);
}

/* The value above two; value may be where the pair begins. */
static void dx_hde_p_parent(uint8_t *value, const uint8_t *pair, uint32_t flags)
{
    uint32_t cv[8];
    DX_HDE_ASSERT(value && pair);
    dx_hde_p_blake3_iv(cv);
    dx_hde_p_hash_compress(cv, pair, 64, 0, (uint32_t)DX_HDE_P_B3_PARENT | flags);
    dx_hde_p_store_value(value, cv);
}

/* The value of a chunk: its blocks one after the other. root: it is all there is. */
static void dx_hde_p_chunk(uint8_t *value, const uint8_t *p, size_t size, uint32_t chunk,
                           uint32_t root)
{
    uint32_t cv[8], flags = (uint32_t)DX_HDE_P_B3_CHUNK_START;
    uint8_t last[64];
    DX_HDE_ASSERT(size <= DX_HDE_P_CHUNK);
    dx_hde_p_blake3_iv(cv);
    for (; size > 64; size -= 64) {
        dx_hde_p_hash_compress(cv, p, 64, chunk, flags);
        p += 64;
        flags = 0;
    }
    DX_HDE_MEMSET(last, 0, sizeof last);
    if (size) DX_HDE_MEMCPY(last, p, size);
    flags |= (uint32_t)DX_HDE_P_B3_CHUNK_END | root;
    dx_hde_p_hash_compress(cv, last, (uint32_t)size, chunk, flags);
    dx_hde_p_store_value(value, cv);
}

/* The value of at most a page; root: DX_HDE_P_B3_ROOT when it is all there is. */
static void dx_hde_p_rest(uint8_t *value, const uint8_t *p, size_t size, uint32_t chunk,
                          uint32_t root)
{
    uint8_t v[4 * 32];
    uint32_t n = 0;
    DX_HDE_ASSERT(size <= DX_HDE_P_PAGE);
    do {
        size_t part = size < DX_HDE_P_CHUNK ? size : (size_t)DX_HDE_P_CHUNK;
        dx_hde_p_chunk(v + 32 * n, p, part, chunk + n, part == size && n == 0 ? root : 0);
        p += part;
        size -= part;
        n++;
    } while (size);
    DX_HDE_ASSERT(n >= 1 && n <= 4);
    /* the tree is as full as it can be from the left: (0 1) (2 3), (0 1) 2, or 0 1 */
    if (n == 4) dx_hde_p_parent(v + 64, v + 64, 0);
    if (n > 2) dx_hde_p_parent(v, v, 0);
    if (n > 2) DX_HDE_MEMCPY(v + 32, v + 64, 32);
    if (n > 1) dx_hde_p_parent(v, v, root);
    DX_HDE_MEMCPY(value, v, 32);
}

#if !defined(DX_HDE_BLAKE3) && defined(DX_CAS_IMPLEMENTED)
/* dx_cas.h precedes this file's implementation: use its hash. */
static void dx_hde_p_hash_part(uint64_t offset, const uint8_t *p, size_t size, uint8_t *value)
{
    dx_cas_blake3 plain;
    int error;
    dx_cas_blake3_init(&plain);
    error = dx_cas_blake3_part(&plain, offset, p, size, value);
    DX_HDE_ASSERT(error == 0);
    (void)error;
}
#define DX_HDE_BLAKE3 dx_hde_p_hash_part
#endif

#ifdef DX_HDE_BLAKE3
/* That hashes a page. */
#elif (defined(__GNUC__) || defined(__clang__)) && (defined(__SSE2__) || defined(__ARM_NEON))
/* The four chunks of a page side by side: each word of the state is a vector of four. */
typedef uint32_t dx_hde_p_words __attribute__((vector_size(16)));

static void dx_hde_p_page(uint8_t *value, const uint8_t *p, uint32_t chunk)
{
    static const uint8_t order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    const dx_hde_p_words none = {0};
    const dx_hde_p_words chunks = {chunk, chunk + 1, chunk + 2, chunk + 3};
    dx_hde_p_words h[8], m[16], old[16];
    uint32_t iv[8];
    uint8_t values[4 * 32];
    unsigned block, round, k;
    dx_hde_p_blake3_iv(iv);
    for (k = 0; k < 8; k++) h[k] = none + iv[k];
    for (block = 0; block < 16; block++, p += DX_HDE_P_B3_BLOCK) {
        dx_hde_p_words v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3];
        dx_hde_p_words v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
        dx_hde_p_words v8 = none + iv[0], v9 = none + iv[1];
        dx_hde_p_words va = none + iv[2], vb = none + iv[3];
        dx_hde_p_words vc = chunks, vd = none, ve = none + DX_HDE_P_B3_BLOCK, vf = none;
        if (block == 0) vf += (uint32_t)DX_HDE_P_B3_CHUNK_START;
        if (block == 15) vf += (uint32_t)DX_HDE_P_B3_CHUNK_END;
        for (k = 0; k < 16; k++) {
            const uint8_t *at = p + 4 * k;
            const dx_hde_p_words words = {dx_hde_p_load32(at), dx_hde_p_load32(at + 1024),
                                          dx_hde_p_load32(at + 2048), dx_hde_p_load32(at + 3072)};
            m[k] = words;
        }
        for (round = 0; round < 7; round++) {
            DX_HDE_P_B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            for (k = 0; k < 16; k++) old[k] = m[k];
            for (k = 0; k < 16; k++) m[k] = old[order[k]];
        }
        h[0] = v0 ^ v8;
        h[1] = v1 ^ v9;
        h[2] = v2 ^ va;
        h[3] = v3 ^ vb;
        h[4] = v4 ^ vc;
        h[5] = v5 ^ vd;
        h[6] = v6 ^ ve;
        h[7] = v7 ^ vf;
    }
    for (k = 0; k < 32; k++) /* word k / 4 of chunk k % 4 */
        dx_hde_p_store32(values + 32 * (k & 3) + 4 * (k >> 2), h[k >> 2][k & 3]);
    dx_hde_p_parent(values + 64, values + 64, 0);
    dx_hde_p_parent(values, values, 0);
    DX_HDE_MEMCPY(values + 32, values + 64, 32);
    dx_hde_p_parent(value, values, 0);
}
#else
static void dx_hde_p_page(uint8_t *value, const uint8_t *p, uint32_t chunk)
{
    dx_hde_p_rest(value, p, DX_HDE_P_PAGE, chunk, 0);
}
#endif
#undef DX_HDE_P_B3_ROUND
#undef DX_HDE_P_B3_G
#undef DX_HDE_P_B3_ROTR

/* >>coder ---------------------------------------------------------------
   Bits by adaptive probability: the range coder of LZMA without its first byte, which is always 0.
   A range of 32 bits is split at each bit, in proportion to the model's probability of a 1, and
   narrowed to the part of the coded bit. Below 2^24 a byte is written, or read:

       low            low + bound                    low + range
        |------ 1 ------|--------------- 0 ---------------|        bound = range * p
        |- 1 -|--- 0 ---|                                          after a 1
             ...                                                   24 bits are settled: shift

   low may carry into bytes that have been settled: the last of them waits in cache, and later bytes
   of 255, which a carry would run through, are only counted (pending).

       model   | probability of a 1: 22 bits | how many bits it has seen: 10 bits |

   It moves towards each bit that it sees by rates[count]: two thirds of the way at first, less
   each time, 1/64 in the end. One function reads and writes (dx_hde_p_bit()), so that the two
   cannot differ.

   Numbers and trees are made of bits. The models of a body, in one array:

       kind | GAP | LENGTH | JUMP | BACK | lane 0: 3 x RUN, 3 x CHANGED | lane 1 ... | literals */
typedef struct dx_hde_p_coder { /* reads or writes, by the same calls */
    const uint8_t *in;      /* reading: the body */
    uint8_t       *out;     /* writing: where it goes */
    size_t         at;      /* place in it, */
    size_t         size;    /* and its end */
    size_t         pending; /* writing: bytes of 255 after cache */
    uint64_t       low;     /* writing: 32 bits, and the carry above */
    uint32_t       range;
    uint32_t       code;    /* reading: the code, less low */
    uint8_t        cache;   /* writing: the byte before `pending` */
    bool           writing;
    bool           started; /* the first byte is not written */
    bool           bad;     /* read beyond the end, or had no room to write */
    uint32_t      *models;  /* 22 bits probability of a 1, 10 bits count */
    const uint16_t *rates;  /* by the count */
} dx_hde_p_coder;

/* Where the models of each kind begin. */
enum {
    DX_HDE_P_GAP = 4,
    DX_HDE_P_NUMBER = 64 + 33 * 8, /* models: a tree for its length, 8 for each length */
    DX_HDE_P_LENGTH = DX_HDE_P_GAP + DX_HDE_P_NUMBER,
    DX_HDE_P_JUMP = DX_HDE_P_LENGTH + DX_HDE_P_NUMBER,
    DX_HDE_P_BACK = DX_HDE_P_JUMP + DX_HDE_P_NUMBER,
    DX_HDE_P_RUN = DX_HDE_P_BACK + DX_HDE_P_NUMBER,
    DX_HDE_P_LANE = 3 * (DX_HDE_P_NUMBER + 256), /* models of a lane */
    DX_HDE_P_MODELS = DX_HDE_P_RUN + 8 * DX_HDE_P_LANE + 256 * (int32_t)256
};
#define DX_HDE_P_PATCH_MEMORY \
    (4 * (uint32_t)DX_HDE_P_MODELS) /* max bytes to apply a patch */

/* Write a byte, with its carry. */
static void dx_hde_p_put(dx_hde_p_coder *coder, uint32_t byte)
{
    DX_HDE_ASSERT(coder->writing && byte < 256 + 256);
    if (coder->at < coder->size) coder->out[coder->at++] = (uint8_t)(byte & 255);
    else coder->bad = true;
}

/* Read a byte. The writer omits trailing zeros: three of them follow the end. */
static void dx_hde_p_get(dx_hde_p_coder *coder)
{
    coder->code = coder->code << 8 | (coder->at < coder->size ? coder->in[coder->at] : 0u);
    if (coder->at >= coder->size && coder->at - coder->size >= 3) coder->bad = true;
    else coder->at++;
}

/* The top byte of low is settled, unless it is 255 and a carry may come. */
static void dx_hde_p_shift(dx_hde_p_coder *coder)
{
    uint32_t carry = (uint32_t)(coder->low >> 32);
    DX_HDE_ASSERT(coder->writing && carry <= 1);
    if ((coder->low & 0xffffffffu) < 0xff000000u || carry) {
        if (coder->started) dx_hde_p_put(coder, coder->cache + carry);
        for (; coder->pending; coder->pending--) dx_hde_p_put(coder, 255 + carry);
        coder->started = true;
        coder->cache = (uint8_t)(coder->low >> 24 & 255);
    } else {
        coder->pending++;
    }
    coder->low = (coder->low & 0x00ffffffu) << 8;
}

/* 1 if the code is below the bound. Returns the bit. Without branches, because half of them would
   be mispredicted. */
static uint32_t dx_hde_p_split(dx_hde_p_coder *coder, uint32_t bound, uint32_t bit)
{
    uint32_t zero, range = coder->range;
    DX_HDE_ASSERT(bound > 0 && bound <= range && bit <= 1);
    if (!coder->writing) bit = coder->code < bound;
    zero = bit - 1; /* all ones for a 0 */
    coder->low += bound & zero;
    coder->code -= bound & zero;
    range = (bound & ~zero) | ((range - bound) & zero);
    for (coder->range = range; range < (uint32_t)1 << 24; coder->range = range) {
        range <<= 8;
        if (coder->writing) dx_hde_p_shift(coder);
        else dx_hde_p_get(coder);
    }
    return bit;
}

/* Code a bit by its model, and adapt the model. */
static uint32_t dx_hde_p_bit(dx_hde_p_coder *coder, uint32_t *model, uint32_t bit)
{
    uint32_t m = *model;
    uint32_t count = m & 1023;
    uint32_t p = m >> 10;
    uint32_t flip;
    uint64_t rate = coder->rates[count];
    DX_HDE_ASSERT(count < 64);
    bit = dx_hde_p_split(coder, (coder->range >> 15) * (p >> 7 | 1), bit);
    flip = 0x3fffff & (0 - bit); /* for a 1, that of a 0 becomes less: no branch */
    p ^= flip;
    p -= (uint32_t)(p * rate >> 16);
    *model = (p ^ flip) << 10 | (count + (count < 62));
    return bit;
}

/* A number of `bits` bits, the highest first: each has a model selected by the bits before it.
   Returns the number with a leading 1. */
static uint32_t dx_hde_p_tree(dx_hde_p_coder *coder, uint32_t *models, unsigned bits, uint32_t v)
{
    uint32_t node = 1;
    DX_HDE_ASSERT(bits <= 8);
    while (bits--) node = node << 1 | dx_hde_p_bit(coder, models + node, v >> bits & 1);
    return node;
}

/* Its length in bits, then the bits: three with models, the rest without. */
static uint32_t dx_hde_p_number(dx_hde_p_coder *coder, uint32_t first, uint32_t v)
{
    uint32_t *models = coder->models + first;
    uint32_t bits = 0, n, node = 1;
    while (bits < 32 && v >> bits) bits++;
    n = dx_hde_p_tree(coder, models, 6, bits) & 63;
    if (n > 32) coder->bad = true;
    if (n > 32 || !n) return 0;
    models += 64 + 8 * n;
    for (bits = n - 1; bits && node < 8; bits--)
        node = node << 1 | dx_hde_p_bit(coder, models + node, v >> (bits - 1) & 1);
    for (; bits; bits--)
        node = node << 1 | dx_hde_p_split(coder, coder->range >> 1, v >> (bits - 1) & 1);
    return node;
}

/* Reset a coder and its models. */
static void dx_hde_p_start(dx_hde_p_coder *coder, const dx_hde *hde, const dx_hde_record *record)
{
    uint32_t i, n = DX_HDE_P_RUN + ((uint32_t)DX_HDE_P_LANE << record->stride_log);
    n += (uint32_t)256 << record->literal_bits;
    DX_HDE_ASSERT(n <= DX_HDE_P_MODELS);
    DX_HDE_MEMSET(coder, 0, sizeof *coder);
    coder->range = UINT32_MAX;
    coder->models = hde->models_;
    coder->rates = hde->rates_;
    for (i = 0; i < n; i++) coder->models[i] = 0x80000000u; /* 1/2, nothing seen */
}

/* Flush: of all codes in the range, write the one with the most trailing zeros. */
static void dx_hde_p_finish(dx_hde_p_coder *coder)
{
    DX_HDE_ASSERT(coder->writing);
    /* The rest is zero, and omitted. */
    coder->low = (coder->low + 0xffffffu) & ~(uint64_t)0xffffffu;
    dx_hde_p_shift(coder);
    dx_hde_p_shift(coder);
}

/* Zigzag: a signed number as 0, -1, 1, -2, ... */
static uint32_t dx_hde_p_zigzag(uint64_t v)
{
    return (uint32_t)((v << 1 ^ (v >> 63 ? UINT64_MAX : 0)) & 0xffffffffu);
}

static uint64_t dx_hde_p_unzigzag(uint32_t v)
{
    return (uint64_t)(v >> 1) ^ (v & 1 ? UINT64_MAX : 0);
}

/* A run of equal bytes, in the lane of its first one. The last run selects one of three models,
   because runs of a table are alike: none at all, within a row, or over rows. */
static uint32_t dx_hde_p_run(dx_hde_p_coder *coder, uint32_t lane, uint32_t last, uint32_t run)
{
    uint32_t kind = last < 8 ? 1 : 2;
    DX_HDE_ASSERT(lane < 8);
    if (last == 0) kind = 0;
    return dx_hde_p_number(coder, DX_HDE_P_RUN + DX_HDE_P_LANE * lane + DX_HDE_P_NUMBER * kind,
                           run);
}

/* How a byte changed, in its lane: the first byte after a run; one after a change of 1 or -1 (a
   carry of a counter); or any other. */
static uint32_t dx_hde_p_changed(dx_hde_p_coder *coder, uint32_t lane, uint32_t run, uint32_t last,
                                 uint32_t v)
{
    uint32_t kind = last == 1 || last == 255 ? 1 : 2;
    uint32_t at = DX_HDE_P_RUN + DX_HDE_P_LANE * lane + 3 * DX_HDE_P_NUMBER;
    DX_HDE_ASSERT(lane < 8 && v < 256);
    if (run) kind = 0;
    at += 256 * kind;
    return dx_hde_p_tree(coder, coder->models + at, 8, v) & 255;
}

/* Literals, each with the tree selected by the byte before it. out is NULL when writing. */
static void dx_hde_p_literals(dx_hde_p_coder *coder, const dx_hde_record *record, const uint8_t *p,
                              uint8_t *out, uint32_t at, uint32_t size)
{
    uint32_t *models =
        coder->models + DX_HDE_P_RUN + ((uint32_t)DX_HDE_P_LANE << record->stride_log);
    DX_HDE_ASSERT(record->literal_bits <= 8);
    for (; size && !coder->bad; size--, at++) {
        uint32_t context = at ? (uint32_t)p[at - 1] >> (8 - record->literal_bits) : 0, v;
        v = dx_hde_p_tree(coder, models + 256 * context, 8, out ? 0 : p[at]) & 255;
        if (out) out[at] = (uint8_t)v;
    }
}

/* >>memory --------------------------------------------------------------
   desc.memory is divided once; baselines get the rest, the room:

       | kept_ | order_ | heads_ | same_ | values_ | models_ | seen_ | pieces_ | work_ | room_ ... |
                                                   |<-------- scratch_ ---------------->|

   scratch_ is used either for encoding by pieces or for dx_patch.h: one record is made at a time,
   one way or the other. A baseline in the room has three consecutive parts:

       | data, its bytes, padded to 8 | values of its pages and groups | table of its blocks | */
struct dx_hde_p_baseline {
    const uint8_t *data;
    const uint8_t *values;   /* >>blake3; NULL: not known */
    uint32_t      *table;    /* >>baselines */
    uint64_t       key;
    uint64_t       born_ms;
    uint64_t       whole_ms; /* of the last whole state */
    uint64_t       serial;   /* grows with each one that is kept */
    uint64_t       at;       /* where in the room, */
    uint64_t       room;     /* and how much of it */
    uint32_t       size;     /* bytes of data */
    uint32_t       deltas;   /* sender: since the last whole state */
    uint32_t       next;     /* in the chain of its head */
    uint32_t       table_log;
    bool           used;
    bool           indexed;  /* the table is filled: only once it is needed */
    uint8_t        coding;   /* of deltas, the last time that both were tried; 0: not yet */
    uint8_t        hash[32];
    uint8_t        chain[32]; /* sender: bit h for each state since the last whole one, which is one
                                 of them, whose hash begins with the byte h */
};

#define DX_HDE_P_NONE UINT32_MAX

/* Bytes between the blocks in a table: more for large states, to keep their tables small. */
static uint32_t dx_hde_p_step(uint32_t size)
{
    if (size >> 30) return 32;
    return size >> 20 ? 16 : 8;
}

/* The smallest log with 1 << log >= n, within these bounds. */
static uint32_t dx_hde_p_log(uint32_t n, uint32_t log_min, uint32_t log_max)
{
    uint32_t log = log_min;
    while (log < log_max && n > (uint32_t)1 << log) log++;
    return log;
}

/* Pages of a state except the last one: those that have a value. */
static uint32_t dx_hde_p_pages(uint32_t size) { return size ? (size - 1) / DX_HDE_P_PAGE : 0; }

/* Bytes of the values of its pages and groups. */
static uint32_t dx_hde_p_value_size(uint32_t size)
{
    uint32_t pages = dx_hde_p_pages(size);
    return 32 * (pages + pages / DX_HDE_P_GROUP);
}

/* Bytes that a baseline takes of the room. */
static uint64_t dx_hde_p_room(uint32_t size)
{
    return (((uint64_t)size + 7) & ~(uint64_t)7) + dx_hde_p_value_size(size) +
           ((uint64_t)4 << dx_hde_p_log(size / dx_hde_p_step(size), 6, 26));
}

/* Allocate size bytes of the memory, aligned; NULL only counts. */
static uint8_t *dx_hde_p_cut(uint8_t **at, uint64_t *total, uint64_t size)
{
    uint8_t *p = *at;
    size = (size + 15) & ~(uint64_t)15;
    *total += size;
    if (p) *at = p + (size_t)size;
    return p;
}

/* Lay out all of the memory except the room for baselines; returns its size. Without memory
   it only counts. */
static uint64_t dx_hde_p_lay_out(dx_hde *hde, const dx_hde_desc *desc, uint8_t *at)
{
    uint64_t total = 0, n = desc->state_max;
    DX_HDE_ASSERT(desc->state_max && desc->baselines_max);
    hde->heads_log_ = dx_hde_p_log(desc->baselines_max, 0, 16);
    hde->piece_max_ = desc->state_max / 64 + 64;
    hde->work_size_ = desc->zstd ? (size_t)n + (size_t)n / 8 + 1024 : 0;
    hde->kept_ = (dx_hde_p_baseline *)(void *)dx_hde_p_cut(
        &at, &total, desc->baselines_max * sizeof *hde->kept_);
    hde->order_ = (uint32_t *)(void *)dx_hde_p_cut(&at, &total, (uint64_t)4 * desc->baselines_max);
    hde->heads_ = (uint32_t *)(void *)dx_hde_p_cut(&at, &total, (uint64_t)4 << hde->heads_log_);
    hde->same_ = dx_hde_p_cut(&at, &total, n / DX_HDE_P_PAGE + 1);
    hde->values_ = dx_hde_p_cut(&at, &total, dx_hde_p_value_size(desc->state_max));
    hde->scratch_ = at;
    hde->scratch_size_ = (size_t)total;
    hde->models_ = (uint32_t *)(void *)dx_hde_p_cut(&at, &total, 4 * (uint64_t)DX_HDE_P_MODELS);
    hde->seen_ = (uint32_t *)(void *)dx_hde_p_cut(&at, &total, (uint32_t)4 << 15);
    hde->pieces_ = (dx_hde_p_piece *)(void *)dx_hde_p_cut(&at, &total,
                                                          hde->piece_max_ * sizeof *hde->pieces_);
    hde->work_ = dx_hde_p_cut(&at, &total, hde->work_size_);
    hde->scratch_size_ = (size_t)total - hde->scratch_size_;
    hde->room_ = at;
    return total;
}

/* Fill in the defaults. */
static dx_hde_desc dx_hde_p_defaults(const dx_hde_desc *desc)
{
    dx_hde_desc full = *desc;
    if (!full.state_max) full.state_max = (uint32_t)16 << 20;
    if (!full.baselines_max) full.baselines_max = 16;
    if (!full.chain_max) full.chain_max = 10;
    if (!full.interval_ms) full.interval_ms = 300000;
    if (!full.age_max_ms) full.age_max_ms = 900000;
    if (!full.level) full.level = DX_HDE_REGIONAL;
    if (!full.hash_size) full.hash_size = 32;
    if (!full.slow_ms) full.slow_ms = 100;
    return full;
}

/* Is every field inside its limits? */
static bool dx_hde_p_good(const dx_hde_desc *desc)
{
    return !(desc->state_max >> 31) && desc->baselines_max <= 65536 && desc->chain_max <= 1000 &&
           desc->interval_ms >= 1000 && desc->interval_ms <= 86400000 &&
           desc->level >= DX_HDE_LOCAL && desc->level <= DX_HDE_GLOBAL &&
           (desc->hash_size == 32 || desc->hash_size == 16 || desc->hash_size == 8);
}

DX_HDE_API const char *dx_hde_error_name(int error)
{
#define DX_HDE_P_NAME(value, constant) \
    if (error == value) return "DX_HDE_" #constant;
    DX_HDE_ERRORS(DX_HDE_P_NAME)
#undef DX_HDE_P_NAME
    return "unknown error";
}

DX_HDE_API size_t dx_hde_memory_size(const dx_hde_desc *desc)
{
    dx_hde_desc full;
    dx_hde hde;
    uint64_t size;
    if (!desc) return 0;
    full = dx_hde_p_defaults(desc);
    if (!dx_hde_p_good(&full)) return 0;
    size = 15 + dx_hde_p_lay_out(&hde, &full, NULL) +
           full.baselines_max * dx_hde_p_room(full.state_max);
    return size > SIZE_MAX ? 0 : (size_t)size;
}

DX_HDE_API int dx_hde_init(dx_hde *hde, const dx_hde_desc *desc)
{
    dx_hde_desc full;
    uint8_t *at;
    uint64_t used;
    uint32_t i;
    if (!hde || !desc || !desc->memory) return DX_HDE_EINVAL;
    full = dx_hde_p_defaults(desc);
    if (!dx_hde_p_good(&full)) return DX_HDE_EINVAL;
#ifndef DX_HDE_ZSTD
    if (full.zstd) return DX_HDE_ENOTSUP;
#endif
    DX_HDE_MEMSET(hde, 0, sizeof *hde);
    at = (uint8_t *)full.memory + (16 - ((uintptr_t)full.memory & 15)) % 16;
    used = (uint64_t)(at - (uint8_t *)full.memory) + dx_hde_p_lay_out(hde, &full, NULL);
    if (full.memory_size < used + dx_hde_p_room(full.state_max)) return DX_HDE_ENOMEM;
    (void)dx_hde_p_lay_out(hde, &full, at);
    hde->desc_ = full;
    DX_HDE_ASSERT(full.memory_size >= used);
    hde->room_size_ = full.memory_size - (size_t)used;
    hde->stats_.level = full.level;
    hde->due_ms_ = UINT64_MAX;
    for (i = 0; i < full.baselines_max; i++) hde->kept_[i].used = false;
    for (i = 0; i >> hde->heads_log_ == 0; i++) hde->heads_[i] = DX_HDE_P_NONE;
    for (i = 0; i < 64; i++) hde->rates_[i] = (uint16_t)(131072u / (2 * i + 3));
    return DX_HDE_OK;
}

/* >>hash of a state -----------------------------------------------------
   The tree of BLAKE3 is built from left to right with a stack, which holds the roots of complete
   subtrees, the largest first. A new one merges with those of its size, like a carry in a counter.
   At the end the remaining ones are merged from the top of the stack down.

       groups 0 1 2 3 4 5 6        stack  | 0..3 | 4..5 | 6 |         (7 = 111b: three of them)
       + group 7                   stack  | 0..7 |                    (8 = 1000b)

   After the groups the same continues with pages, because a group is 16 of them, and then with the
   last page, whole or not. */
/* The value of a page that is not the last. */
static void dx_hde_p_page_value(uint8_t *value, const uint8_t *p, uint32_t page)
{
#ifdef DX_HDE_BLAKE3
    DX_HDE_BLAKE3((uint64_t)page * DX_HDE_P_PAGE, p, (size_t)DX_HDE_P_PAGE, value);
#else
    dx_hde_p_page(value, p, 4 * page);
#endif
}

/* Push the count-th subtree of its size, and merge the subtrees that it completes. */
static void dx_hde_p_push(uint8_t *stack, uint32_t *depth, const uint8_t *value, uint32_t count)
{
    DX_HDE_MEMCPY(stack + 32 * (*depth)++, value, 32);
    DX_HDE_ASSERT(count > 0 && *depth <= 24);
    for (; !(count & 1); count >>= 1) {
        --*depth;
        dx_hde_p_parent(stack + 32 * (*depth - 1), stack + 32 * (*depth - 1), 0);
    }
}

/* Compute the values of some pages; same_ records which equal the baseline's. True: all of them. */
static bool dx_hde_p_compare_page(dx_hde *hde, const dx_hde_p_baseline *base, const uint8_t *state,
                                  uint32_t page, uint32_t count)
{
    uint32_t i, old_pages = base ? dx_hde_p_pages(base->size) : 0;
    bool all = true;
    for (i = page; i < page + count; i++) {
        size_t at = (size_t)i * DX_HDE_P_PAGE;
        uint8_t *value = hde->values_ + (size_t)32 * i;
        bool same = i < old_pages && DX_HDE_MEMCMP(base->data + at, state + at, DX_HDE_P_PAGE) == 0;
        hde->same_[i] = same;
        if (same) DX_HDE_MEMCPY(value, base->values + (size_t)32 * i, 32);
        else dx_hde_p_page_value(value, state + at, i);
        all = all && same;
    }
    return all;
}

/* The BLAKE3 of a state; values_ gets the values of its pages and groups. */
static void dx_hde_p_hash(dx_hde *hde, const dx_hde_p_baseline *base, const uint8_t *p,
                          uint32_t size, uint8_t *hash)
{
    uint8_t stack[24 * 32], joined[DX_HDE_P_GROUP * 32];
    uint32_t pages = dx_hde_p_pages(size), groups = pages / DX_HDE_P_GROUP, g, i, n, depth = 0;
    uint32_t old_pages = base ? dx_hde_p_pages(base->size) : 0, at = pages * DX_HDE_P_PAGE;
    DX_HDE_ASSERT(size <= hde->desc_.state_max);
    for (g = 0; g < groups; g++) {
        uint8_t *value = hde->values_ + (size_t)32 * (pages + g);
        i = g * DX_HDE_P_GROUP;
        if (dx_hde_p_compare_page(hde, base, p, i, DX_HDE_P_GROUP)) {
            DX_HDE_MEMCPY(value, base->values + (size_t)32 * (old_pages + g), 32);
        } else {
            DX_HDE_MEMCPY(joined, hde->values_ + (size_t)32 * i, sizeof joined);
            for (n = DX_HDE_P_GROUP / 2; n; n /= 2)
                for (i = 0; i < n; i++) dx_hde_p_parent(joined + 32 * i, joined + 64 * i, 0);
            DX_HDE_MEMCPY(value, joined, 32);
        }
        dx_hde_p_push(stack, &depth, value, g + 1);
    }
    i = groups * DX_HDE_P_GROUP;
    (void)dx_hde_p_compare_page(hde, base, p, i, pages - i);
    for (; i < pages; i++) dx_hde_p_push(stack, &depth, hde->values_ + (size_t)32 * i, i + 1);
    hde->same_[pages] = base && base->size >= size && size > at &&
                      DX_HDE_MEMCMP(base->data + at, p + at, size - at) == 0;
    dx_hde_p_rest(stack + 32 * depth, p + at, size - at, 4 * pages,
                  depth ? 0 : (uint32_t)DX_HDE_P_B3_ROOT);
    for (; depth; depth--)
        dx_hde_p_parent(stack + 32 * (depth - 1), stack + 32 * (depth - 1),
                        depth > 1 ? 0 : (uint32_t)DX_HDE_P_B3_ROOT);
    DX_HDE_ASSERT(depth == 0);
    DX_HDE_MEMCPY(hash, stack, 32);
}

/* >>baselines: states that both sides keep ------------------------------------
   Each is found by its key, in chains that start at heads_, and has its place in the room, in the
   order of order_. A new one takes the first gap that is large enough; until there is one, the
   oldest baseline is evicted:

        heads_   [hash of key] -> kept_[3] -> kept_[0] -> NONE
        room_    | state, hashes of its pages, table of its blocks |  gap  | the next one |     | */
/* SipHash of 8 bytes. */
static uint64_t dx_hde_p_sip(const uint64_t seed[2], uint64_t word)
{
    uint64_t v[4];
    dx_hde_p_sip_start(v, seed);
    dx_hde_p_sip_word(v, word);
    return dx_hde_p_sip_end(v, (uint64_t)8 << 56);
}

/* Head of the chain of a key. Keys come from outside, so they are hashed with desc.seed. */
static uint32_t *dx_hde_p_head(const dx_hde *hde, uint64_t key)
{
    uint64_t mixed = dx_hde_p_sip(hde->desc_.seed, key);
    DX_HDE_ASSERT(hde->heads_log_ <= 16);
    return hde->heads_ + (hde->heads_log_ ? mixed >> (64 - hde->heads_log_) : 0);
}

/* Remove a baseline from its chain and from the order of the room. Nothing else moves. */
static void dx_hde_p_remove(dx_hde *hde, uint32_t k)
{
    uint32_t i, *link = dx_hde_p_head(hde, hde->kept_[k].key);
    DX_HDE_ASSERT(hde->kept_[k].used && hde->stats_.baselines > 0);
    while (*link != k) link = &hde->kept_[*link].next;
    *link = hde->kept_[k].next;
    hde->kept_[k].used = false;
    for (i = 0; hde->order_[i] != k; i++) continue;
    hde->stats_.baselines--;
    for (; i < hde->stats_.baselines; i++) hde->order_[i] = hde->order_[i + 1];
}

/* The youngest baseline of a key, or the one whose hash begins so. */
static dx_hde_p_baseline *dx_hde_p_find(const dx_hde *hde, uint64_t key, const uint8_t *hash,
                                        size_t hash_size)
{
    dx_hde_p_baseline *found = NULL, *base;
    uint32_t k;
    for (k = *dx_hde_p_head(hde, key); k != DX_HDE_P_NONE; k = base->next) {
        base = hde->kept_ + k;
        if (base->key != key || (found && base->serial < found->serial)) continue;
        if (!hash || DX_HDE_MEMCMP(base->hash, hash, hash_size) == 0) found = base;
    }
    return found;
}

/* Remove the oldest of all baselines. */
static void dx_hde_p_evict(dx_hde *hde)
{
    uint32_t i, k = hde->order_[0];
    for (i = 1; i < hde->stats_.baselines; i++)
        if (hde->kept_[hde->order_[i]].serial < hde->kept_[k].serial) k = hde->order_[i];
    dx_hde_p_remove(hde, k);
    hde->stats_.evicted++;
}

/* The first gap of the room that is large enough: its offset, and how many baselines precede it. */
static bool dx_hde_p_gap(const dx_hde *hde, uint64_t need, uint64_t *at, uint32_t *place)
{
    *at = 0;
    for (*place = 0; *place < hde->stats_.baselines; ++*place) {
        const dx_hde_p_baseline *base = hde->kept_ + hde->order_[*place];
        if (base->at - *at >= need) return true;
        *at = base->at + base->room;
    }
    return hde->room_size_ - *at >= need;
}

/* The slot of the block at p, and six more bits of its hash, as its tag. */
static uint32_t dx_hde_p_slot(const uint8_t *p, uint32_t step, uint32_t log, uint32_t *tag)
{
    uint64_t v = dx_hde_p_load64(p) * 0x9e3779b97f4a7c15u;
    DX_HDE_ASSERT(log >= 6 && log <= 26);
    if (step == 8) {
        v ^= dx_hde_p_load32(p + 8) * 0xd6e8feb86659fd93u;
    } else {
        v += dx_hde_p_load64(p + 8) * 0xd6e8feb86659fd93u;
        v += dx_hde_p_load64(p + 16) * 0xa0761d6478bd642fu;
        v += dx_hde_p_load64(p + 24) * 0xe7037ed1a0b428dbu;
    }
    v = (v ^ v >> 32) * 0x8ebc6af09c88c6e3u;
    *tag = (uint32_t)(v >> 20 & 63) << 26;
    return (uint32_t)(v >> (64 - log));
}

/* Bytes of a block: how many must be equal for a match. */
static uint32_t dx_hde_p_block(uint32_t step) { return step == 8 ? 12 : 32; }

/* Fill the table. A slot has six bits of a block's hash, and its number plus one; 0 is free. */
static void dx_hde_p_index(dx_hde_p_baseline *base)
{
    uint32_t step = dx_hde_p_step(base->size), length = dx_hde_p_block(step), at, tag;
    DX_HDE_ASSERT(base->used || base->data);
    DX_HDE_MEMSET(base->table, 0, (size_t)4 << base->table_log);
    for (at = 0; base->size >= length && at <= base->size - length; at += step) {
        uint32_t *slot = base->table + dx_hde_p_slot(base->data + at, step, base->table_log, &tag);
        if (!*slot) *slot = tag | (at / step + 1);
    }
    base->indexed = true;
}

/* Allocate a baseline with `need` bytes of the room, from *at on; the oldest ones are evicted. It
   is entered in the order of places. */
static uint32_t dx_hde_p_reserve(dx_hde *hde, uint64_t need, uint64_t *at)
{
    uint32_t place, i, k;
    while (hde->stats_.baselines == hde->desc_.baselines_max ||
           !dx_hde_p_gap(hde, need, at, &place))
        dx_hde_p_evict(hde);
    for (k = 0; hde->kept_[k].used; k++) continue;
    DX_HDE_ASSERT(k < hde->desc_.baselines_max && *at + need <= hde->room_size_);
    for (i = hde->stats_.baselines++; i > place; i--) hde->order_[i] = hde->order_[i - 1];
    hde->order_[place] = k;
    return k;
}

/* Fill the baseline's bytes: the state; at a multiple of 8 the values of its subtrees; the table of
   its blocks, which dx_hde_p_index() fills later. */
static void dx_hde_p_fill(const dx_hde *hde, dx_hde_p_baseline *base, uint8_t *to, const uint8_t *p,
                          uint32_t size)
{
    base->data = to;
    base->size = size;
    if (size) DX_HDE_MEMCPY(to, p, size);
    to += ((size_t)size + 7) & ~(size_t)7;
    base->values = to;
    DX_HDE_MEMCPY(to, hde->values_, dx_hde_p_value_size(size));
    base->table = (uint32_t *)(void *)(to + dx_hde_p_value_size(size));
    base->table_log = dx_hde_p_log(size / dx_hde_p_step(size), 6, 26);
}

/* Date a baseline: dx_hde_prune() has nothing to do until the oldest one is too old. */
static void dx_hde_p_date(dx_hde *hde, dx_hde_p_baseline *base, uint64_t now_ms)
{
    base->born_ms = base->whole_ms = now_ms;
    if (hde->due_ms_ - hde->desc_.age_max_ms > now_ms)
        hde->due_ms_ = now_ms + hde->desc_.age_max_ms;
}

/* Keep a copy of the state that was hashed last; the oldest baselines are evicted. */
static dx_hde_p_baseline *dx_hde_p_add(dx_hde *hde, uint64_t key, uint64_t now_ms, const uint8_t *p,
                                       uint32_t size, const uint8_t *hash)
{
    uint64_t at, need = dx_hde_p_room(size);
    uint32_t *head = dx_hde_p_head(hde, key);
    uint32_t k = dx_hde_p_reserve(hde, need, &at);
    dx_hde_p_baseline *base = hde->kept_ + k;
    DX_HDE_MEMSET(base, 0, sizeof *base);
    dx_hde_p_fill(hde, base, hde->room_ + (size_t)at, p, size);
    dx_hde_p_date(hde, base, now_ms);
    DX_HDE_MEMCPY(base->hash, hash, 32);
    base->key = key;
    base->serial = hde->serial_++;
    base->at = at;
    base->room = need;
    base->used = true;
    base->next = *head;
    *head = k;
    return base;
}

/* Remove all baselines of a key but one (or NULL). Returns how many. */
static uint32_t dx_hde_p_forget(dx_hde *hde, uint64_t key, const dx_hde_p_baseline *but)
{
    uint32_t k = *dx_hde_p_head(hde, key), next, count = 0;
    for (; k != DX_HDE_P_NONE; k = next) {
        next = hde->kept_[k].next;
        if (hde->kept_[k].key != key || hde->kept_ + k == but) continue;
        dx_hde_p_remove(hde, k);
        count++;
    }
    return count;
}

DX_HDE_API uint32_t dx_hde_drop(dx_hde *hde, uint64_t key)
{
    return hde ? dx_hde_p_forget(hde, key, NULL) : 0;
}

DX_HDE_API uint32_t dx_hde_prune(dx_hde *hde, uint64_t now_ms)
{
    uint32_t i = hde ? hde->stats_.baselines : 0, count = 0;
    if (!hde || now_ms < hde->due_ms_) return 0;
    hde->due_ms_ = UINT64_MAX;
    while (i-- > 0) {
        const dx_hde_p_baseline *base = hde->kept_ + hde->order_[i];
        if (now_ms > base->born_ms && now_ms - base->born_ms > hde->desc_.age_max_ms) {
            dx_hde_p_remove(hde, hde->order_[i]);
            count++;
        } else if (hde->due_ms_ - hde->desc_.age_max_ms > base->born_ms) {
            hde->due_ms_ = base->born_ms + hde->desc_.age_max_ms;
        }
    }
    hde->stats_.pruned += count;
    return count;
}

DX_HDE_API int dx_hde_keep(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *state,
                           size_t size)
{
    uint8_t hash[32];
    const uint8_t *p = state ? (const uint8_t *)state : hash;
    if (!hde || (!state && size)) return DX_HDE_EINVAL;
    if (size > hde->desc_.state_max) return DX_HDE_ETOOBIG;
    (void)dx_hde_drop(hde, key);
    dx_hde_p_hash(hde, NULL, p, (uint32_t)size, hash);
    (void)dx_hde_p_add(hde, key, now_ms, p, (uint32_t)size, hash); /* indexed by the first search */
    return DX_HDE_OK;
}

/* >>pieces: where the parts of a state come from -------------------------------
   A state is literals and pieces. A page that equals the baseline's is known from its hash; in the
   others, matches are searched with a table of the baseline's blocks, and with one of the state's
   own past:

        baseline  | page 0 | page 1 | page 2 | page 3 |
        state     | page 0 | page 1'| page 2 | new ... |
                    COPY     CHANGED  COPY    AGAIN, or literals

   COPY equals the baseline; CHANGED equals the baseline, at the place where the last piece
   continues, except for some bytes; AGAIN repeats earlier bytes of the state itself. */
enum { DX_HDE_P_COPY, DX_HDE_P_CHANGED, DX_HDE_P_AGAIN };

/* Add a piece, or extend the last one if this one continues it. False: no room for more, so the
   rest are literals. */
static bool dx_hde_p_add_piece(dx_hde *hde, uint32_t new_at, uint32_t old_at, uint32_t size,
                               uint32_t kind)
{
    dx_hde_p_piece *p = hde->pieces_ + hde->piece_count_;
    DX_HDE_ASSERT(size > 0 && hde->piece_count_ <= hde->piece_max_);
    if (hde->piece_count_ && kind != DX_HDE_P_AGAIN && p[-1].kind == kind &&
        p[-1].new_at + p[-1].size == new_at && p[-1].old_at + p[-1].size == old_at) {
        p[-1].size += size;
    } else if (hde->piece_count_ == hde->piece_max_) {
        return false;
    } else {
        p->new_at = new_at;
        p->old_at = old_at;
        p->size = size;
        p->kind = kind;
        hde->piece_count_++;
    }
    if (kind == DX_HDE_P_CHANGED) hde->residual_ += size;
    DX_HDE_ASSERT(size <= hde->literals_);
    hde->literals_ -= size;
    return true;
}

/* Count the bytes that differ, eight at a time. In x ^ y the top bit of each nonzero byte is set
   (low + low carries into it), and moved to the bottom: then byte sums count up to 128 times
   without a carry. */
static uint32_t dx_hde_p_wrong(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint32_t i = 0, count = 0;
    while (size - i >= 8) {
        uint64_t sums = 0;
        uint32_t end = size - i < 8 * 128 ? size - i : 8 * 128;
        for (end += i; end - i >= 8; i += 8) {
            uint64_t x, y;
            DX_HDE_MEMCPY(&x, a + i, 8);
            DX_HDE_MEMCPY(&y, b + i, 8);
            x ^= y;
            sums += (((x & low) + low) | x) >> 7 & 0x0101010101010101u;
        }
        sums = (sums & 0x00ff00ff00ff00ffu) + (sums >> 8 & 0x00ff00ff00ff00ffu);
        count += (uint32_t)(sums * 0x0001000100010001u >> 48);
    }
    for (; i < size; i++) count += a[i] != b[i];
    return count;
}

/* Length of the match of two places, at most size_max. */
static uint32_t dx_hde_p_extent(const uint8_t *a, const uint8_t *b, uint32_t size_max)
{
    uint32_t n = 0;
    while (size_max - n >= 256 && DX_HDE_MEMCMP(a + n, b + n, 256) == 0) n += 256;
    while (size_max - n >= 8 && DX_HDE_MEMCMP(a + n, b + n, 8) == 0) n += 8;
    while (n < size_max && a[n] == b[n]) n++;
    return n;
}

/* Find the block at p[at] in the baseline. */
static bool dx_hde_p_match_old(const dx_hde_p_baseline *base, const uint8_t *state, uint32_t size,
                               uint32_t at, dx_hde_p_piece *found)
{
    uint32_t step = dx_hde_p_step(base->size), length = dx_hde_p_block(step);
    uint32_t tag, slot, old, size_max;
    if (size - at < length) return false;
    slot = base->table[dx_hde_p_slot(state + at, step, base->table_log, &tag)];
    if (!slot || (slot ^ tag) >> 26) return false;
    old = ((slot & 0x3ffffff) - 1) * step;
    if (DX_HDE_MEMCMP(base->data + old, state + at, length) != 0) return false;
    size_max = base->size - old < size - at ? base->size - old : size - at;
    DX_HDE_ASSERT(old <= base->size - length);
    found->new_at = at;
    found->old_at = old;
    found->kind = DX_HDE_P_COPY;
    found->size = dx_hde_p_extent(base->data + old, state + at, size_max);
    return true;
}

/* Find the 8 bytes at p[at] earlier in the state. */
static bool dx_hde_p_match_own(const dx_hde *hde, const uint8_t *state, uint32_t size, uint32_t at,
                               dx_hde_p_piece *found)
{
    uint64_t mixed;
    uint32_t *slot, before;
    if (size - at < 8) return false;
    mixed = dx_hde_p_load64(state + at) * 0x9e3779b97f4a7c15u;
    slot = hde->seen_ + (mixed >> (64 - hde->seen_log_));
    before = *slot;
    *slot = at + 1;
    if (!before || before > at) return false;
    DX_HDE_ASSERT(before - 1 < at);
    found->new_at = at;
    found->old_at = before - 1;
    found->kind = DX_HDE_P_AGAIN;
    found->size = dx_hde_p_extent(state + before - 1, state + at, size - at);
    return found->size >= 12;
}

/* Search for the bytes between two places. Returns where it stopped: at `to`, or after it, where
   the last piece ends. */
static uint32_t dx_hde_p_scan(dx_hde *hde, dx_hde_p_baseline *base, const uint8_t *state,
                              uint32_t size, uint32_t from, uint32_t to)
{
    uint32_t at = from, end = from;
    dx_hde_p_piece piece;
    if (base && !base->indexed) dx_hde_p_index(base);
    DX_HDE_ASSERT(from <= to && to <= size);
    while (at < to) {
        const uint8_t *source = state;
        if (base && dx_hde_p_match_old(base, state, size, at, &piece)) {
            source = base->data;
        } else if (!dx_hde_p_match_own(hde, state, size, at, &piece)) {
            at++;
            continue;
        }
        /* blocks begin at multiples of step: earlier bytes may match, too */
        while (piece.new_at > end && piece.old_at &&
               source[piece.old_at - 1] == state[piece.new_at - 1]) {
            piece.new_at--;
            piece.old_at--;
            piece.size++;
        }
        if (!dx_hde_p_add_piece(hde, piece.new_at, piece.old_at, piece.size, piece.kind)) return to;
        end = at = piece.new_at + piece.size;
    }
    return at;
}

/* The place in the baseline whose bytes are most similar to those at p[at]: where the last piece
   continues, or the same offset. Returns how many bytes differ. */
static uint32_t dx_hde_p_like(const dx_hde *hde, const dx_hde_p_baseline *base,
                              const uint8_t *state, uint32_t at, uint32_t size, uint32_t *old_at)
{
    const dx_hde_p_piece *last = hde->pieces_ + hde->piece_count_ - 1;
    uint32_t wrong_min = size, k, wrong, old[2];
    if (!base) return size;
    old[0] = at;
    old[1] = at;
    if (hde->piece_count_ && last->kind != DX_HDE_P_AGAIN)
        old[0] = last->old_at + (at - last->new_at);
    for (k = 0; k < 2; k++) {
        if ((k && old[0] == old[1]) || old[k] > base->size || size > base->size - old[k]) continue;
        wrong = dx_hde_p_wrong(base->data + old[k], state + at, size);
        if (wrong < wrong_min) *old_at = old[k];
        if (wrong < wrong_min) wrong_min = wrong;
    }
    return wrong_min;
}

/* Approximate cost of a byte with this change, in sixteenths of a byte, after `run` equal ones and
   a byte with the change `last`: low if it changes as the one before, high if it is isolated. */
static uint32_t dx_hde_p_one_change(uint32_t change, uint32_t last, uint32_t run)
{
    DX_HDE_ASSERT(change > 0 && change < 256);
    if (run == 0) return change == last ? 3 : 14;
    return run < 8 ? 20 : 40;
}

/* Total cost of the changed bytes between two places. */
static uint32_t dx_hde_p_change_cost(const uint8_t *old, const uint8_t *p, uint32_t size)
{
    uint32_t i, cost = 0, last = 0, run = 64;
    for (i = 0; i < size; i++) {
        uint32_t change = (uint32_t)(p[i] - old[i]) & 255;
        if (change) cost += dx_hde_p_one_change(change, last, run);
        if (change) last = change;
        run = change ? 0 : run + 1;
    }
    return cost;
}

/* May bytes have moved, so that a search is worth it? Not if few are wrong, nor if both ends
   are unchanged. */
static bool dx_hde_p_moved(const dx_hde_p_baseline *base, const uint8_t *p, uint32_t at, uint32_t n,
                           uint32_t old_at, uint32_t wrong)
{
    uint32_t end = n / 8;
    if (wrong <= n / 16 || wrong > n / 2) return wrong > n / 16;
    return dx_hde_p_wrong(base->data + old_at, p + at, end) > end / 4 ||
           dx_hde_p_wrong(base->data + old_at + (n - end), p + at + (n - end), end) > end / 4;
}

/* Process the rest of a page, from p[at] on. Returns where it stopped; size: out of room. First the
   page is compared with the most similar place of the baseline. If that is bad enough, a search
   follows; its result is kept if it is cheaper than the changes, or if it leads to another place of
   the baseline for long, and undone otherwise. After eight useless searches in a row, only every
   16th page with any similarity is searched. */
static uint32_t dx_hde_p_page_pieces(dx_hde *hde, dx_hde_p_baseline *base, const uint8_t *state,
                                     uint32_t size, uint32_t at, uint32_t n)
{
    uint32_t old_at = 0, wrong = dx_hde_p_like(hde, base, state, at, n, &old_at);
    uint32_t count = hde->piece_count_; /* before the search, to undo it */
    uint32_t literals = hde->literals_; /* the same; then those that the search left in the page */
    uint32_t stop;
    dx_hde_p_piece last = {0, 0, 0, 0};
    const dx_hde_p_piece *found;
    bool leads_on; /* to another place of the baseline, for long */
    bool scan = hde->stats_.level > 0 && dx_hde_p_moved(base, state, at, n, old_at, wrong);
    DX_HDE_ASSERT(wrong <= n && n <= size - at);
    if (scan && wrong < n && hde->useless_ > 8) scan = hde->useless_++ % 16 == 0;
    if (scan) {
        if (count) last = hde->pieces_[count - 1];
        stop = dx_hde_p_scan(hde, base, state, size, at, at + n);
        literals -= hde->literals_;
        literals = literals < stop - at ? stop - at - literals : 0;
        found = hde->pieces_ + hde->piece_count_ - 1;
        leads_on = stop - at >= 2 * n && found->old_at - old_at != found->new_at - at;
        if (wrong == n || leads_on || (wrong <= n / 2 && literals < wrong / 2) ||
            (wrong > n / 2 && 14 * literals + 80 * (hde->piece_count_ - count) <
                                  80 + dx_hde_p_change_cost(base->data + old_at, state + at, n))) {
            hde->useless_ = 0;
            return stop;
        }
        hde->useless_++;
        hde->literals_ += stop - at - literals;
        hde->piece_count_ = count;
        if (count) hde->pieces_[count - 1] = last;
    } else if (wrong == n) {
        return at + n;
    }
    return dx_hde_p_add_piece(hde, at, old_at, n, DX_HDE_P_CHANGED) ? at + n : size;
}

/* Divide the state into pieces; hde->same_ is from dx_hde_p_hash(). */
static void dx_hde_p_find_pieces(dx_hde *hde, dx_hde_p_baseline *base, const uint8_t *state,
                                 uint32_t size)
{
    uint32_t at = 0, n;
    hde->piece_count_ = hde->residual_ = hde->useless_ = 0;
    hde->literals_ = size;
    hde->seen_log_ = dx_hde_p_log(size, 8, 15);
    DX_HDE_MEMSET(hde->seen_, 0, (size_t)4 << hde->seen_log_);
    DX_HDE_ASSERT(size <= hde->desc_.state_max);
    while (at < size) {
        n = DX_HDE_P_PAGE - at % DX_HDE_P_PAGE;
        if (n > size - at) n = size - at;
        if (!base || !hde->same_[at / DX_HDE_P_PAGE])
            at = dx_hde_p_page_pieces(hde, base, state, size, at, n);
        else at = dx_hde_p_add_piece(hde, at, at, n, DX_HDE_P_COPY) ? at + n : size;
    }
}

/* >>survey --------------------------------------------------------------
   The form of changed bytes is chosen for each record: XOR or differences, which suit flags and
   counters, and lanes, because states are often tables of numbers of 2, 4 or 8 bytes, whose low
   bytes change more often than the high ones:

       stride 4   state   | 00 01 02 03 | 00 01 02 03 | 00 01 02 03 |
                  lane      0  1  2  3    0  1  2  3    0  1  2  3

   A sample of changes is counted for stride 8, once as XOR and once as differences; lanes of the
   smaller strides are sums of these. Each of the eight forms costs the entropy of its lanes, plus
   an estimate for learning them, and the cheapest wins. */
/* The logarithm to the base of 2, in sixteenths, straight between powers of two. */
static uint64_t dx_hde_p_log2(uint32_t v)
{
    uint32_t log = 0;
    DX_HDE_ASSERT(v > 0);
    while (log < 31 && v >> log > 1) log++;
    return 16 * log + (uint32_t)(((uint64_t)v << 4 >> log) & 15);
}

enum {
    DX_HDE_P_COUNTS = 8 * 256, /* values in eight lanes */
    DX_HDE_P_SAMPLE = 65536    /* approximate bytes to sample; of a piece 1/8 of that */
};

/* Cost of the counted bytes, by lanes, in sixteenths of bits, including learning. */
static uint64_t dx_hde_p_cost(const uint32_t *counts, uint32_t stride_log)
{
    uint32_t lane, v, k, lanes = 1u << stride_log;
    uint64_t cost = 0;
    DX_HDE_ASSERT(stride_log <= 3);
    for (lane = 0; lane < lanes; lane++) {
        uint32_t all = 0;
        for (v = 0; v < 256; v++) {
            uint32_t n = 0;
            for (k = lane; k < 8; k += lanes) n += counts[256 * k + v];
            if (n) cost += 96 - n * dx_hde_p_log2(n);
            all += n;
        }
        if (all) cost += all * dx_hde_p_log2(all);
    }
    return cost;
}

/* Choose record->subtract and record->stride_log, and estimate hde->changed_, from pieces that
   changed. */
static void dx_hde_p_survey(dx_hde *hde, dx_hde_record *record, const dx_hde_p_baseline *base,
                            const uint8_t *state)
{
    /* The models are idle now: 8 lanes of 256 values, for XOR and for differences. */
    uint32_t *counts = hde->models_;
    uint32_t k, i, log, seen = 0, changed = 0, lane[8] = {0};
    uint64_t cost_min = UINT64_MAX, cost;
    DX_HDE_MEMSET(counts, 0, 2 * DX_HDE_P_COUNTS * sizeof *counts);
    for (k = 0; k < hde->piece_count_ && seen < DX_HDE_P_SAMPLE; k++) {
        const dx_hde_p_piece *c = hde->pieces_ + k;
        if (c->kind != DX_HDE_P_CHANGED) continue;
        for (i = 0; i < c->size && i < DX_HDE_P_SAMPLE / 8; i++, seen++) {
            uint32_t was = base->data[c->old_at + i], is = state[c->new_at + i],
                     in = (c->new_at + i) & 7;
            if (was == is) continue;
            lane[in]++;
            changed++;
            counts[256 * in + (was ^ is)]++;
            counts[DX_HDE_P_COUNTS + 256 * in + ((is - was) & 255)]++;
        }
    }
    for (i = 0; i < 8; i++) { /* approximate number of equal bytes */
        uint32_t equal = seen / 8 > lane[i] ? seen / 8 - lane[i] : 0;
        counts[256 * i] = equal;
        counts[DX_HDE_P_COUNTS + 256 * i] = equal;
    }
    hde->changed_ = seen ? (uint32_t)((uint64_t)hde->residual_ * changed / seen) : 0;
    record->stride_log = 0;
    record->subtract = false;
    for (k = 0; changed && k < 2; k++) {
        for (log = 0; log < (changed < 512 ? 1 : 4); log++) { /* few changes teach one lane */
            cost = dx_hde_p_cost(counts + DX_HDE_P_COUNTS * k, log);
            if (cost >= cost_min) continue;
            cost_min = cost;
            record->subtract = k != 0;
            record->stride_log = (uint8_t)log;
        }
    }
}

/* >>range ---------------------------------------------------------------
   Everything in one stream of bits (docs/formats/hde.md, section 3):

       GAP | literals | OLD LENGTH JUMP | RUN CHANGED RUN CHANGED ... 0 | GAP | OWN LENGTH BACK ...

       baseline   ....[==========================]........................
       state      lit [=====x===xx===============][own][old ...           x: changed bytes
                  GAP  RUN 6 ^ ^ RUN 4, RUN 1      BACK
                             CHANGED by XOR or difference

   Pieces that follow each other in the state and in the baseline are one here, copied or changed.
   JUMP is relative to the end of the last piece in the baseline, so an insertion costs two small
   numbers. The last run selects the models of RUN, the last change those of CHANGED: changes of a
   table are alike.

   Reading: all numbers are untrusted. Each is checked against the rest of the state and of the
   baseline before anything is copied. */
/* The lane of a place of the state. */
static uint32_t dx_hde_p_lane(const dx_hde_record *record, uint32_t at)
{
    return at & ((1u << record->stride_log) - 1);
}

/* Write the changes of pieces that are adjacent in the state and in the baseline.
   Returns their number. */
static uint32_t dx_hde_p_write_old(const dx_hde *hde, dx_hde_p_coder *coder,
                                   const dx_hde_record *record, const dx_hde_p_baseline *base,
                                   const uint8_t *state, uint32_t first, uint32_t count,
                                   uint32_t *last_run)
{
    uint32_t k, run = 0, last = 0;
    DX_HDE_ASSERT(count > 0 && first + count <= hde->piece_count_);
    for (k = first; k < first + count; k++) {
        const dx_hde_p_piece *piece = hde->pieces_ + k;
        uint32_t i = 0;
        if (piece->kind == DX_HDE_P_COPY) run += piece->size;
        while (piece->kind == DX_HDE_P_CHANGED && i < piece->size) {
            uint32_t n = dx_hde_p_extent(base->data + piece->old_at + i, state + piece->new_at + i,
                                         piece->size - i);
            uint32_t at = piece->new_at + i + n; /* of the byte that changed */
            uint32_t was, change;
            run += n;
            i += n + 1;
            if (i > piece->size) break;
            was = base->data[piece->old_at + i - 1];
            change = (record->subtract ? state[at] - was : state[at] ^ was) & 255;
            (void)dx_hde_p_run(coder, dx_hde_p_lane(record, at - run), *last_run, run + 1);
            last = dx_hde_p_changed(coder, dx_hde_p_lane(record, at), run, last, change);
            *last_run = run;
            run = 0;
        }
    }
    k = hde->pieces_[first + count - 1].new_at + hde->pieces_[first + count - 1].size;
    if (run) (void)dx_hde_p_run(coder, dx_hde_p_lane(record, k - run), *last_run, 0);
    return count;
}

/* Write all pieces and literals of a state. */
static void dx_hde_p_write_range(const dx_hde *hde, dx_hde_p_coder *coder,
                                 const dx_hde_record *record, const dx_hde_p_baseline *base,
                                 const uint8_t *state)
{
    uint32_t k = 0, n, size = (uint32_t)record->state_size, end = 0, last_run = 0;
    uint64_t old_end = 0;
    while (k < hde->piece_count_ && !coder->bad) {
        const dx_hde_p_piece *piece = hde->pieces_ + k;
        uint32_t gap = piece->new_at - end;
        uint32_t joined = piece->size; /* bytes of this piece and of those that continue it */
        (void)dx_hde_p_number(coder, DX_HDE_P_GAP, gap);
        dx_hde_p_literals(coder, record, state, NULL, end, gap);
        for (n = 1; piece->kind != DX_HDE_P_AGAIN && k + n < hde->piece_count_; n++) {
            const dx_hde_p_piece *y = piece + n;
            if (y->kind == DX_HDE_P_AGAIN || y->new_at != piece->new_at + joined ||
                y->old_at != piece->old_at + joined)
                break;
            joined += y->size;
        }
        end = piece->new_at + joined;
        (void)dx_hde_p_bit(coder, coder->models, piece->kind == DX_HDE_P_AGAIN);
        (void)dx_hde_p_number(coder, DX_HDE_P_LENGTH, joined - 1);
        if (piece->kind == DX_HDE_P_AGAIN) {
            (void)dx_hde_p_number(coder, DX_HDE_P_BACK, piece->new_at - piece->old_at - 1);
            old_end += (uint64_t)gap + joined;
            k++;
        } else {
            (void)dx_hde_p_number(coder, DX_HDE_P_JUMP,
                                  dx_hde_p_zigzag(piece->old_at - old_end - gap));
            old_end = (uint64_t)piece->old_at + joined;
            k += dx_hde_p_write_old(hde, coder, record, base, state, k, n, &last_run);
        }
    }
    DX_HDE_ASSERT(coder->bad || end <= size);
    if (end < size) (void)dx_hde_p_number(coder, DX_HDE_P_GAP, size - end);
    dx_hde_p_literals(coder, record, state, NULL, end, size - end);
}

/* Bits of the byte before a literal that select its tree: more if there are more literals, because
   each tree starts untrained. */
static uint8_t dx_hde_p_context_bits(uint32_t literals)
{
    if (literals >= 16384) return 8;
    if (literals >= 4096) return 5;
    return literals >= 512 ? 3 : 0;
}

/* Returns the bytes of the body; 0: out of room. */
static uint32_t dx_hde_p_encode_range(const dx_hde *hde, dx_hde_record *record,
                                      const dx_hde_p_baseline *base, const uint8_t *state,
                                      uint8_t *out, size_t capacity)
{
    dx_hde_p_coder coder;
    uint32_t n = hde->literals_;
    record->coding = DX_HDE_RANGE;
    record->literal_bits = dx_hde_p_context_bits(n);
    DX_HDE_ASSERT(n <= record->state_size);
    dx_hde_p_start(&coder, hde, record);
    coder.writing = true;
    coder.out = out;
    coder.size = capacity;
    dx_hde_p_write_range(hde, &coder, record, base, state);
    dx_hde_p_finish(&coder);
    return coder.bad ? 0 : (uint32_t)coder.at;
}

/* Copy bytes of the baseline to the state, with the changes that were written. */
static int dx_hde_p_read_old(dx_hde_p_coder *coder, const dx_hde_record *record, const uint8_t *old,
                             uint8_t *out, uint32_t at, uint32_t size, uint32_t *last_run)
{
    uint32_t i = 0, last = 0;
    DX_HDE_ASSERT(old && out);
    while (i < size) {
        uint32_t run = dx_hde_p_run(coder, dx_hde_p_lane(record, at + i), *last_run, 0), n, v;
        if (coder->bad) return DX_HDE_ECORRUPT;
        n = run ? run - 1 : size - i;
        if (n > size - i || (run && n == size - i)) return DX_HDE_EBOUNDS;
        DX_HDE_MEMCPY(out + at + i, old + i, n);
        i += n;
        if (!run) break;
        v = dx_hde_p_changed(coder, dx_hde_p_lane(record, at + i), n, last, 0);
        out[at + i] = (uint8_t)((record->subtract ? old[i] + v : old[i] ^ v) & 255);
        *last_run = n;
        last = v;
        i++;
    }
    return DX_HDE_OK;
}

/* Progress in decoding a delta. */
typedef struct dx_hde_p_reader {
    const dx_hde_p_baseline *base; /* or NULL */
    uint8_t *out;                  /* the state */
    uint32_t at;                   /* bytes of it that are made */
    uint32_t size;                 /* and their total */
    uint64_t old_end; /* end of the last piece in the baseline; 64 bits: an untrusted jump is
                         added */
} dx_hde_p_reader;

/* Copy a piece of the state itself, byte by byte: it may overlap its source. */
static int dx_hde_p_read_again(dx_hde_p_reader *reader, uint32_t size, uint64_t back)
{
    uint8_t *to = reader->out + reader->at;
    if (size > reader->size - reader->at || back > reader->at) return DX_HDE_EBOUNDS;
    DX_HDE_ASSERT(back > 0);
    reader->at += size;
    reader->old_end += size;
    for (; size; size--, to++) *to = *(to - back);
    return DX_HDE_OK;
}

/* Where a piece of the baseline begins: `jump` bytes from the end of the last one. */
static int dx_hde_p_read_jump(const dx_hde_p_reader *reader, uint32_t size, uint64_t jump,
                              uint64_t *old)
{
    *old = reader->old_end + jump;
    if (size > reader->size - reader->at || !reader->base || *old > reader->base->size ||
        size > reader->base->size - *old)
        return DX_HDE_EBOUNDS;
    return DX_HDE_OK;
}

/* Read pieces and literals until the state is complete and the body at its end. */
static int dx_hde_p_read_range(dx_hde_p_coder *coder, const dx_hde_record *record,
                               dx_hde_p_reader *reader)
{
    uint32_t last_run = 0, gap, n;
    uint64_t old, jump;
    int error = DX_HDE_OK;
    while (!error && reader->at < reader->size) {
        DX_HDE_ASSERT(reader->at <= reader->size);
        gap = dx_hde_p_number(coder, DX_HDE_P_GAP, 0);
        if (gap > reader->size - reader->at) return DX_HDE_EBOUNDS;
        dx_hde_p_literals(coder, record, reader->out, reader->out, reader->at, gap);
        reader->at += gap;
        reader->old_end += gap;
        if (coder->bad) return DX_HDE_ECORRUPT;
        if (reader->at == reader->size) break;
        if (dx_hde_p_bit(coder, coder->models, 0)) {
            n = dx_hde_p_number(coder, DX_HDE_P_LENGTH, 0);
            jump = dx_hde_p_number(coder, DX_HDE_P_BACK, 0);
            error = coder->bad || n == UINT32_MAX ? DX_HDE_ECORRUPT
                                              : dx_hde_p_read_again(reader, n + 1, jump + 1);
            continue;
        }
        n = dx_hde_p_number(coder, DX_HDE_P_LENGTH, 0);
        jump = dx_hde_p_unzigzag(dx_hde_p_number(coder, DX_HDE_P_JUMP, 0));
        if (coder->bad || n == UINT32_MAX) return DX_HDE_ECORRUPT;
        error = dx_hde_p_read_jump(reader, n + 1, jump, &old);
        if (error) return error;
        error = dx_hde_p_read_old(coder, record, reader->base->data + (size_t)old, reader->out,
                                  reader->at, n + 1, &last_run);
        reader->at += n + 1;
        reader->old_end = old + n + 1;
    }
    if (!error && (coder->bad || coder->at != coder->size + 3)) error = DX_HDE_ECORRUPT;
    return error;
}

/* Decode the state of a body in range coding. */
static int dx_hde_p_decode_range(const dx_hde *hde, const dx_hde_record *record,
                                 const uint8_t *body, dx_hde_p_reader *reader)
{
    dx_hde_p_coder coder;
    unsigned i;
    dx_hde_p_start(&coder, hde, record);
    DX_HDE_ASSERT(record->stride_log <= 3 && record->literal_bits <= 8);
    coder.in = body;
    coder.size = (size_t)record->body_size;
    for (i = 0; i < 4; i++) dx_hde_p_get(&coder);
    return dx_hde_p_read_range(&coder, record, reader);
}

/* Write a varint. Returns its bytes. */
static uint32_t dx_hde_p_varint(uint8_t *p, uint64_t v)
{
    uint32_t n = 0;
    for (; v > 127; v >>= 7) p[n++] = (uint8_t)((v & 127) | 128);
    p[n++] = (uint8_t)v;
    return n;
}

/* >>zstd ----------------------------------------------------------------
   For data too large for the range coder (20 MB/s), if the caller has zstd. A whole state is one
   frame of its bytes. The three parts of a delta are one frame:

       | I | L | instructions: gap, kind, length, jump | literals | changes of all changed pieces  |
                                                                    lane 0 ...... | lane 1 ...... |

   The changes of pieces are written with all their zeros, XORed or subtracted, and lane by lane, so
   that zstd sees long rows of zeros and of bytes that are alike. work_ holds the parts. */
#ifdef DX_HDE_ZSTD
/* Where byte i of `size` goes when the bytes of each lane are grouped. */
static uint32_t dx_hde_p_shuffled(uint32_t i, uint32_t size, uint32_t log)
{
    uint32_t lane = i & ((1u << log) - 1), rest = size & ((1u << log) - 1);
    return lane * (size >> log) + (lane < rest ? lane : rest) + (i >> log);
}

/* Write the instructions, at most capacity bytes. Returns their size; 0 if that is too small. */
static size_t dx_hde_p_pack_pieces(const dx_hde *hde, uint8_t *to, size_t capacity)
{
    uint32_t k, end = 0;
    uint64_t old_end = 0;
    size_t n = 0;
    for (k = 0; k < hde->piece_count_; k++) {
        const dx_hde_p_piece *piece = hde->pieces_ + k;
        uint32_t gap = piece->new_at - end;
        if (capacity - n < 16) return 0;
        n += dx_hde_p_varint(to + n, gap);
        to[n++] = (uint8_t)piece->kind;
        n += dx_hde_p_varint(to + n, piece->size - 1);
        end = piece->new_at + piece->size;
        if (piece->kind == DX_HDE_P_AGAIN) {
            n += dx_hde_p_varint(to + n, piece->new_at - piece->old_at - 1);
            old_end += (uint64_t)gap + piece->size;
        } else {
            n += dx_hde_p_varint(to + n, dx_hde_p_zigzag(piece->old_at - old_end - gap));
            old_end = (uint64_t)piece->old_at + piece->size;
        }
    }
    return n;
}

/* Max bytes for the parts of a delta. It depends on the state, not on the memory of this side, so
   that every decoder accepts the same records. work_ has room for those of the largest state. */
static size_t dx_hde_p_parts_max(const dx_hde_record *record)
{
    return (size_t)(record->state_size + record->state_size / 8 + 1024);
}

/* Write all three parts to work_. Returns their size, or 0. */
static size_t dx_hde_p_pack(const dx_hde *hde, const dx_hde_record *record,
                            const dx_hde_p_baseline *base, const uint8_t *state)
{
    uint32_t k, i, end = 0, at = 0, size = (uint32_t)record->state_size, bytes;
    uint8_t *to = hde->work_ + 8;
    size_t n, size_max = dx_hde_p_parts_max(record);
    bytes = hde->literals_ + hde->residual_;
    if (bytes > size_max - 8) return 0;
    n = dx_hde_p_pack_pieces(hde, to, size_max - 8 - bytes);
    if (!n && hde->piece_count_) return 0;
    dx_hde_p_store32(hde->work_, (uint32_t)n);
    dx_hde_p_store32(hde->work_ + 4, hde->literals_);
    to += n;
    for (k = 0; k <= hde->piece_count_; k++) {
        const dx_hde_p_piece *piece = hde->pieces_ + k;
        uint32_t gap = (k < hde->piece_count_ ? piece->new_at : size) - end;
        DX_HDE_MEMCPY(to, state + end, gap);
        to += gap;
        if (k < hde->piece_count_) end = piece->new_at + piece->size;
    }
    for (k = 0; k < hde->piece_count_; k++) {
        const dx_hde_p_piece *piece = hde->pieces_ + k;
        for (i = 0; piece->kind == DX_HDE_P_CHANGED && i < piece->size; i++, at++) {
            uint32_t was = base->data[piece->old_at + i], is = state[piece->new_at + i];
            to[dx_hde_p_shuffled(at, hde->residual_, record->stride_log)] =
                (uint8_t)((record->subtract ? is - was : is ^ was) & 255);
        }
    }
    return (size_t)(to - hde->work_) + hde->residual_;
}

/* May whole states refer to the prefix? */
static bool dx_hde_p_has_prefix(const dx_hde *hde)
{
    const dx_hde_zstd *zstd = hde->desc_.zstd;
    return zstd->prefix && zstd->prefix_size && zstd->prefix_id >= DX_HDE_PREFIX &&
           zstd->prefix_id != hde->refused_dictionary_;
}

/* A frame that refers to the prefix. The window is as large as both, so that matches reach it.
   Returns its bytes, or an error of zstd. */
static size_t dx_hde_p_deflate_after(const dx_hde_zstd *zstd, int level, const uint8_t *from,
                                     size_t size, uint8_t *out, size_t capacity)
{
    enum { WINDOW_LOG_MAX = 26 };
    ZSTD_CCtx *c = (ZSTD_CCtx *)zstd->cctx;
    size_t n;
    int window_log = 10;
    while (window_log < WINDOW_LOG_MAX && (size_t)1 << window_log < zstd->prefix_size + size)
        window_log++;
    n = ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(n)) n = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(n)) n = ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    if (!ZSTD_isError(n)) n = ZSTD_CCtx_refPrefix(c, zstd->prefix, zstd->prefix_size);
    if (!ZSTD_isError(n)) n = ZSTD_compress2(c, out, capacity, from, size);
    (void)ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters); /* it forgets the prefix */
    return n;
}

/* Returns the bytes of the body; 0: out of room, or no zstd. */
static uint32_t dx_hde_p_encode_zstd(const dx_hde *hde, dx_hde_record *record,
                                     const dx_hde_p_baseline *base, const uint8_t *state,
                                     uint8_t *out, size_t capacity)
{
    static const int8_t levels[10] = {-5, 1, 2, 3, 4, 5, 6, 12, 16, 19};
    const dx_hde_zstd *zstd = hde->desc_.zstd;
    const uint8_t *from = state;
    const int level = levels[hde->stats_.level < 0 ? 0 : hde->stats_.level];
    size_t size = (size_t)record->state_size, n;
    const ZSTD_CDict *dictionary;
    if (!zstd || !zstd->cctx) return 0;
    dictionary = base ? NULL : (const ZSTD_CDict *)zstd->cdict;
    if (base) {
        size = dx_hde_p_pack(hde, record, base, state);
        from = hde->work_;
    }
    if (!size) return 0;
    record->coding = DX_HDE_ZSTD_FRAME;
    record->literal_bits = 0;
    record->dictionary = dictionary ? ZSTD_getDictID_fromCDict(dictionary) : 0;
    if (!record->dictionary || record->dictionary == hde->refused_dictionary_) dictionary = NULL;
    if (!dictionary) record->dictionary = 0;
    if (!base && dx_hde_p_has_prefix(hde)) {
        record->dictionary = zstd->prefix_id;
        n = dx_hde_p_deflate_after(zstd, level, from, size, out, capacity);
    } else if (dictionary) {
        n = ZSTD_compress_usingCDict((ZSTD_CCtx *)zstd->cctx, out, capacity, from, size,
                                     dictionary);
    } else {
        n = ZSTD_compressCCtx((ZSTD_CCtx *)zstd->cctx, out, capacity, from, size, level);
    }
    return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

/* Decompress one frame into at most capacity bytes; *got: how many. */
static int dx_hde_p_inflate(const dx_hde *hde, const dx_hde_record *record, const uint8_t *body,
                            uint8_t *out, size_t capacity, size_t *got)
{
    const dx_hde_zstd *zstd = hde->desc_.zstd;
    const ZSTD_DDict *dictionary = NULL;
    size_t size = (size_t)record->body_size;
    bool prefix;
    uint32_t i;
    if (!zstd || !zstd->dctx) return DX_HDE_ENOTSUP;
    for (i = 0; record->dictionary && i < zstd->ddict_count; i++)
        if (ZSTD_getDictID_fromDDict((const ZSTD_DDict *)zstd->ddicts[i]) == record->dictionary)
            dictionary = (const ZSTD_DDict *)zstd->ddicts[i];
    prefix = record->dictionary >= DX_HDE_PREFIX && zstd->prefix && zstd->prefix_size &&
             record->dictionary == zstd->prefix_id;
    if (record->dictionary && !dictionary && !prefix) return DX_HDE_ENOTFOUND;
    if (ZSTD_findFrameCompressedSize(body, size) != size) return DX_HDE_ECORRUPT;
    if (prefix) {
        ZSTD_DCtx *d = (ZSTD_DCtx *)zstd->dctx;
        *got = ZSTD_DCtx_refPrefix(d, zstd->prefix, zstd->prefix_size);
        if (!ZSTD_isError(*got)) *got = ZSTD_decompressDCtx(d, out, capacity, body, size);
        (void)ZSTD_DCtx_reset(d, ZSTD_reset_session_and_parameters); /* it forgets the prefix */
    } else {
        *got = ZSTD_decompress_usingDDict((ZSTD_DCtx *)zstd->dctx, out, capacity, body, size,
                                          dictionary);
    }
    return ZSTD_isError(*got) ? DX_HDE_ECORRUPT : DX_HDE_OK;
}

/* The parts that dx_hde_p_pack() wrote. */
typedef struct dx_hde_p_parts {
    const uint8_t *pieces;       /* the unread instructions, */
    const uint8_t *literals;     /* the unread literals, */
    const uint8_t *changes;      /* and all changes */
    uint32_t       piece_size;   /* bytes of these */
    uint32_t       literal_size;
    uint32_t       change_size;
    uint32_t       change_at;    /* changes read */
    bool           bad;          /* a varint was cut off, or too large */
} dx_hde_p_parts;

/* The next varint of the instructions, of at most 32 bits. */
static uint32_t dx_hde_p_next(dx_hde_p_parts *parts)
{
    uint64_t v = 0;
    uint32_t shift = 0, byte = 128;
    for (; byte > 127 && !parts->bad; shift += 7) {
        parts->bad = !parts->piece_size || shift > 28;
        if (parts->bad) return 0;
        byte = *parts->pieces++;
        parts->piece_size--;
        v |= (uint64_t)(byte & 127) << shift;
    }
    if (v > UINT32_MAX) parts->bad = true;
    return (uint32_t)(v & UINT32_MAX);
}

/* Copy `size` literals. */
static int dx_hde_p_next_literals(dx_hde_p_parts *parts, dx_hde_p_reader *reader, uint32_t size)
{
    if (size > reader->size - reader->at || size > parts->literal_size) return DX_HDE_EBOUNDS;
    DX_HDE_MEMCPY(reader->out + reader->at, parts->literals, size);
    parts->literals += size;
    parts->literal_size -= size;
    reader->at += size;
    reader->old_end += size;
    return DX_HDE_OK;
}

/* Read one instruction and make its piece. */
static int dx_hde_p_next_piece(dx_hde_p_parts *parts, const dx_hde_record *record,
                               dx_hde_p_reader *reader)
{
    uint32_t kind = dx_hde_p_next(parts);
    uint32_t size = dx_hde_p_next(parts);
    uint32_t where = dx_hde_p_next(parts);
    uint32_t i;
    uint64_t at;
    int error;
    if (parts->bad || kind > DX_HDE_P_AGAIN || size == UINT32_MAX) return DX_HDE_ECORRUPT;
    size++;
    if (kind == DX_HDE_P_AGAIN) return dx_hde_p_read_again(reader, size, (uint64_t)where + 1);
    error = dx_hde_p_read_jump(reader, size, dx_hde_p_unzigzag(where), &at);
    if (!error && kind == DX_HDE_P_CHANGED && size > parts->change_size - parts->change_at)
        error = DX_HDE_EBOUNDS;
    if (error) return error;
    DX_HDE_MEMCPY(reader->out + reader->at, reader->base->data + (size_t)at, size);
    for (i = 0; kind == DX_HDE_P_CHANGED && i < size; i++, parts->change_at++) {
        uint8_t *to = reader->out + reader->at + i;
        uint32_t v = parts->changes[dx_hde_p_shuffled(parts->change_at, parts->change_size,
                                                      record->stride_log)];
        *to = (uint8_t)((record->subtract ? *to + v : *to ^ v) & 255);
    }
    reader->at += size;
    reader->old_end = at + size;
    return DX_HDE_OK;
}

static int dx_hde_p_decode_zstd(const dx_hde *hde, const dx_hde_record *record, const uint8_t *body,
                                dx_hde_p_reader *reader)
{
    dx_hde_p_parts parts;
    size_t size;
    int error;
    if (!reader->base) {
        error = dx_hde_p_inflate(hde, record, body, reader->out, reader->size, &size);
        if (!error && size != reader->size) error = DX_HDE_ECORRUPT;
        return error;
    }
    error = dx_hde_p_inflate(hde, record, body, hde->work_, dx_hde_p_parts_max(record), &size);
    if (error) return error;
    if (size < 8) return DX_HDE_ECORRUPT;
    DX_HDE_MEMSET(&parts, 0, sizeof parts);
    parts.piece_size = dx_hde_p_load32(hde->work_);
    parts.literal_size = dx_hde_p_load32(hde->work_ + 4);
    size -= 8;
    if (parts.piece_size > size || parts.literal_size > size - parts.piece_size)
        return DX_HDE_ECORRUPT;
    parts.change_size = (uint32_t)(size - parts.piece_size - parts.literal_size);
    parts.pieces = hde->work_ + 8;
    parts.literals = parts.pieces + parts.piece_size;
    parts.changes = parts.literals + parts.literal_size;
    while (!error && reader->at < reader->size) {
        uint32_t gap = parts.piece_size ? dx_hde_p_next(&parts) : reader->size - reader->at;
        error = parts.bad ? DX_HDE_ECORRUPT : dx_hde_p_next_literals(&parts, reader, gap);
        if (!error && reader->at < reader->size)
            error = dx_hde_p_next_piece(&parts, record, reader);
    }
    if (!error && (parts.piece_size || parts.literal_size || parts.change_at != parts.change_size))
        error = DX_HDE_ECORRUPT;
    return error;
}
#else
static uint32_t dx_hde_p_encode_zstd(const dx_hde *hde, dx_hde_record *record,
                                     const dx_hde_p_baseline *base, const uint8_t *state,
                                     uint8_t *out, size_t capacity)
{
    (void)hde;
    (void)record;
    (void)base;
    (void)state;
    (void)out;
    (void)capacity;
    return 0;
}

static int dx_hde_p_decode_zstd(const dx_hde *hde, const dx_hde_record *record, const uint8_t *body,
                                dx_hde_p_reader *reader)
{
    (void)hde;
    (void)record;
    (void)body;
    (void)reader;
    return DX_HDE_ENOTSUP;
}
#endif

/* >>records -------------------------------------------------------------
   A record is a head, with everything that a reader must know before it reads the body, and the
   body (docs/formats/hde.md, section 1):

       0      4      5        6       7      8        12
       | DXH1 | kind | coding | forms | flags| CRC-32C| state, body, dictionary | hash | base | body
                                                        varints                   32, 16 or 8

       sender                                   receiver
       WHOLE v1, keep       ------------->      keeps v1
       DELTA v2 against v1  ------------->      v1 + delta = v2, whose hash is right
       DELTA v4 against v3  ------------->      has no v3
       drops v3             <-------------      NACK of v3, for v4
       WHOLE v5, keep       ------------->      keeps v5

   The size of the head depends on that of the body, so the body is written at its place with the
   longest head, and moved. The checksum detects damage in transit; the hash of the state verifies
   the result, after decoding. */
/* The head of a record without its checksum, at most DX_HDE_HEAD_MAX bytes. Returns its bytes. */
static uint32_t dx_hde_p_put_head(const dx_hde_record *record, uint8_t *p)
{
    uint32_t n = 12, code = 0; /* of the size of hashes: 32 >> code */
    DX_HDE_ASSERT(record->hash_size == 32 || record->hash_size == 16 || record->hash_size == 8);
    while (32u >> code > record->hash_size) code++;
    DX_HDE_MEMCPY(p, "DXH1", 4);
    p[4] = record->kind;
    p[5] = record->coding;
    p[6] = (uint8_t)(record->stride_log | record->literal_bits << 4);
    p[7] = (uint8_t)((record->keep ? 1u : 0u) | (record->subtract ? 2u : 0u) | code << 2);
    n += dx_hde_p_varint(p + n, record->state_size);
    n += dx_hde_p_varint(p + n, record->body_size);
    n += dx_hde_p_varint(p + n, record->dictionary);
    DX_HDE_MEMCPY(p + n, record->hash, record->hash_size);
    n += record->hash_size;
    if (record->kind == DX_HDE_WHOLE) return n;
    DX_HDE_MEMCPY(p + n, record->baseline, record->hash_size);
    return n + record->hash_size;
}

/* Head and body, together; the body is at to + DX_HDE_HEAD_MAX. Returns the bytes of the record. */
static size_t dx_hde_p_seal(dx_hde_record *record, uint8_t *to, uint32_t body_size)
{
    uint32_t n;
    record->body_size = body_size;
    n = dx_hde_p_put_head(record, to);
    DX_HDE_ASSERT(n <= DX_HDE_HEAD_MAX);
    DX_HDE_MEMMOVE(to + n, to + DX_HDE_HEAD_MAX, body_size);
    dx_hde_p_store32(to + 8, dx_hde_p_crc32c(dx_hde_p_crc32c(0, to, 8), to + 12,
                                             n - 12 + (size_t)body_size));
    return n + (size_t)body_size;
}

/* The next varint of a head; advances *p. If *error is set, nothing is read. */
static uint64_t dx_hde_p_read_varint(const uint8_t **p, const uint8_t *end, int *error)
{
    uint64_t v = 0;
    uint32_t shift = 0, byte = 128;
    for (; byte > 127 && !*error; shift += 7) {
        if (*p == end) *error = DX_HDE_ETRUNCATED;
        else if (shift > 56) *error = DX_HDE_ECORRUPT;
        if (*error) return 0;
        byte = *(*p)++;
        v |= (uint64_t)(byte & 127) << shift;
    }
    return v;
}

/* Does this version of the format have these values? */
static bool dx_hde_p_known(const dx_hde_record *record, uint8_t flags)
{
    return record->kind >= DX_HDE_WHOLE && record->kind <= DX_HDE_NACK &&
           record->coding <= DX_HDE_ZSTD_FRAME && flags < 12 && record->stride_log <= 3 &&
           record->literal_bits <= 8;
}

/* Are the fields consistent? */
static bool dx_hde_p_sound(const dx_hde_record *record)
{
    if (record->kind == DX_HDE_NACK) return !record->body_size && record->coding == DX_HDE_PLAIN;
    if (record->kind == DX_HDE_PATCH) return record->coding == DX_HDE_PLAIN && !record->dictionary;
    if (record->coding == DX_HDE_PLAIN)
        return record->kind == DX_HDE_WHOLE && record->body_size == record->state_size &&
               !record->dictionary;
    return !record->dictionary || record->coding == DX_HDE_ZSTD_FRAME;
}

DX_HDE_API int dx_hde_info(const void *record, size_t size, dx_hde_record *info)
{
    const uint8_t *p = (const uint8_t *)record, *at, *end;
    dx_hde_record head;
    uint64_t dictionary;
    int error = DX_HDE_OK;
    if (!info || (!record && size)) return DX_HDE_EINVAL;
    if (size < 12) return DX_HDE_ETRUNCATED;
    if (DX_HDE_MEMCMP(p, "DXH1", 4) != 0) return DX_HDE_EHEADER;
    DX_HDE_MEMSET(&head, 0, sizeof head);
    head.kind = p[4];
    head.coding = p[5];
    head.stride_log = p[6] & 15;
    head.literal_bits = p[6] >> 4;
    head.keep = (p[7] & 1) != 0;
    head.subtract = (p[7] & 2) != 0;
    head.hash_size = (uint8_t)(32 >> (p[7] >> 2 & 3));
    at = p + 12;
    end = p + size;
    head.state_size = dx_hde_p_read_varint(&at, end, &error);
    head.body_size = dx_hde_p_read_varint(&at, end, &error);
    dictionary = dx_hde_p_read_varint(&at, end, &error);
    if (error) return error;
    head.head_size = (uint32_t)(at - p) + head.hash_size * (head.kind == DX_HDE_WHOLE ? 1u : 2u);
    if (size < head.head_size || head.body_size > size - head.head_size) return DX_HDE_ETRUNCATED;
    if (head.body_size != size - head.head_size) return DX_HDE_ECORRUPT;
    if (dx_hde_p_crc32c(dx_hde_p_crc32c(0, p, 8), p + 12, size - 12) != dx_hde_p_load32(p + 8))
        return DX_HDE_ECORRUPT;
    if (!dx_hde_p_known(&head, p[7])) return DX_HDE_EVERSION;
    head.dictionary = (uint32_t)(dictionary & UINT32_MAX);
    if (dictionary > UINT32_MAX || !dx_hde_p_sound(&head)) return DX_HDE_EHEADER;
    DX_HDE_MEMCPY(head.hash, at, head.hash_size);
    if (head.kind != DX_HDE_WHOLE)
        DX_HDE_MEMCPY(head.baseline, at + head.hash_size, head.hash_size);
    *info = head;
    return DX_HDE_OK;
}

DX_HDE_API int dx_hde_write_nack(const void *record, size_t record_size, void *nack,
                                 size_t *nack_size)
{
    dx_hde_record head, n;
    int error;
    if (!nack || !nack_size) return DX_HDE_EINVAL;
    *nack_size = 0;
    error = dx_hde_info(record, record_size, &head);
    if (error) return error;
    if (head.kind == DX_HDE_NACK) return DX_HDE_EINVAL;
    DX_HDE_MEMSET(&n, 0, sizeof n);
    n.kind = DX_HDE_NACK;
    n.hash_size = head.hash_size;
    n.dictionary = head.dictionary;
    DX_HDE_MEMCPY(n.hash, head.hash, 32);
    DX_HDE_MEMCPY(n.baseline, head.kind == DX_HDE_WHOLE ? head.hash : head.baseline, 32);
    *nack_size = dx_hde_p_seal(&n, (uint8_t *)nack, 0);
    return DX_HDE_OK;
}

/* May a state with this hash have been made since the last whole one? (see chain) */
static bool dx_hde_p_in_chain(const dx_hde_p_baseline *base, const uint8_t *hash)
{
    return (base->chain[hash[0] >> 3] >> (hash[0] & 7) & 1) != 0;
}

DX_HDE_API int dx_hde_read_nack(dx_hde *hde, uint64_t key, const void *nack, size_t nack_size)
{
    dx_hde_record record;
    const dx_hde_p_baseline *base;
    int error;
    if (!hde) return DX_HDE_EINVAL;
    error = dx_hde_info(nack, nack_size, &record);
    if (error) return error;
    if (record.kind != DX_HDE_NACK) return DX_HDE_EVERSION;
    if (record.dictionary) hde->refused_dictionary_ = record.dictionary;
    base = dx_hde_p_find(hde, key, NULL, 0);
    if (!base) return DX_HDE_ENOTFOUND;
    /* If each state is the baseline of the next, all since the refused one are missing, too, and
       nacks always come late. An old hash that collides with one of these costs a whole state. */
    if (DX_HDE_MEMCMP(base->hash, record.baseline, record.hash_size) != 0 &&
        !(hde->desc_.rolling && dx_hde_p_in_chain(base, record.hash)))
        return DX_HDE_ENOTFOUND;
    (void)dx_hde_drop(hde, key);
    hde->stats_.nacks++;
    return DX_HDE_OK;
}

/* >>encode --------------------------------------------------------------
   A state becomes a record in up to four ways, and the smallest is sent:

       baseline?  --no--->  whole:  zstd, else range, else plain
          | yes
          v
        delta by pieces:  range | zstd     level 6 and up: both, and dx_patch_create()
          |
          '-- not below 70 % of the state:  whole as well, and the smaller one of both

   All are written one after the other into the caller's buffer, and the smallest is moved to its
   front. A chain of deltas ends with a whole state after chain_max of them or interval_ms, which
   limits how long a receiver that joins late must wait. */
/* The range coder (20 MB/s) is used for records that are small enough for it; for small ones both
   codings are tried once per baseline, and the smaller one is used from then on. */
static uint32_t dx_hde_p_encode_delta(dx_hde *hde, dx_hde_record *record, dx_hde_p_baseline *base,
                                      const uint8_t *state, uint8_t *out, size_t capacity)
{
    bool both = hde->stats_.level >= 6, few;
    uint32_t used = 0, other = 0, bytes;
    dx_hde_record second;
    dx_hde_p_find_pieces(hde, base, state, (uint32_t)record->state_size);
    dx_hde_p_survey(hde, record, base, state);
    bytes = hde->literals_ + hde->changed_;
    few = bytes < 131072 || !hde->desc_.zstd;
    if (bytes < 65536 && !base->coding) both = true;
    if (both || (few && base->coding != DX_HDE_ZSTD_FRAME))
        used = dx_hde_p_encode_range(hde, record, base, state, out, capacity);
    second = *record;
    if (both || !used)
        other = dx_hde_p_encode_zstd(hde, &second, base, state, out + used, capacity - used);
    if (!used && !other && !both)
        used = dx_hde_p_encode_range(hde, record, base, state, out, capacity);
    if (other && (!used || other < used)) {
        DX_HDE_MEMMOVE(out, out + used, other);
        *record = second;
        used = other;
    }
    DX_HDE_ASSERT(used <= capacity);
    if (both && used) base->coding = record->coding;
    return used;
}

#ifndef DX_PATCH_NO_CREATE
/* The same with the slower search of dx_patch_create(), if that is smaller. Every decoder has the
   memory for it. */
static uint32_t dx_hde_p_encode_patch(dx_hde *hde, dx_hde_record *record,
                                      const dx_hde_p_baseline *base, const uint8_t *state,
                                      uint8_t *out, size_t capacity, uint32_t used)
{
    dx_patch_create_desc d;
    size_t size = 0;
    if (hde->stats_.level < 6 || (used && used < record->state_size / 64) || capacity <= used)
        return used;
    DX_HDE_MEMSET(&d, 0, sizeof d);
    d.memory = hde->scratch_;
    d.memory_size = hde->scratch_size_;
    d.level = (uint32_t)hde->stats_.level;
    d.apply_memory_max = DX_HDE_P_PATCH_MEMORY;
    if (dx_patch_create(&d, base->data, base->size, state, (size_t)record->state_size, out + used,
                        capacity - used, &size) ||
        (used && size >= used))
        return used;
    DX_HDE_ASSERT(size <= capacity - used);
    DX_HDE_MEMMOVE(out, out + used, size);
    record->kind = DX_HDE_PATCH;
    record->coding = DX_HDE_PLAIN;
    record->subtract = false;
    record->stride_log = record->literal_bits = 0;
    return (uint32_t)size;
}
#endif

/* Does a state mostly repeat its own beginning? Then no block of zstd is as short as a number. */
static bool dx_hde_p_repeats(dx_hde *hde, const uint8_t *p, uint32_t size)
{
    uint32_t some = size < 65536 ? size : 65536;
    dx_hde_p_find_pieces(hde, NULL, p, some);
    if (hde->literals_ >= some / 64 || some == size) return hde->literals_ < some / 64;
    dx_hde_p_find_pieces(hde, NULL, p, size);
    return hde->literals_ < size / 64;
}

/* Is every byte as likely as any other, also after each byte? Then the range coder (10 MB/s) saves
   nothing. The probability that two bytes of a sample are equal bounds the entropy from below:
   1.15 / 256 is 7.8 bits a byte. */
static bool dx_hde_p_is_noise(const dx_hde *hde, const uint8_t *state, uint32_t size)
{
    enum { CONTEXTS = 16, SAMPLE = 65536 };
    const size_t table = (size_t)CONTEXTS * 256 * 4;
    const uint32_t step = size > SAMPLE ? size / SAMPLE : 1;
    uint64_t equal = 0, pairs = 0;
    uint32_t c, i;
    if (size < SAMPLE / 4 || hde->work_size_ < table) return false;
    DX_HDE_MEMSET(hde->work_, 0, table);
    for (i = 1; i < size; i += step) {
        uint8_t *count = hde->work_ + ((size_t)(state[i - 1] >> 4) * 256 + state[i]) * 4;
        dx_hde_p_store32(count, dx_hde_p_load32(count) + 1);
    }
    for (c = 0; c < CONTEXTS; c++) {
        uint64_t sum = 0, same = 0;
        for (i = 0; i < 256; i++) {
            uint64_t n = dx_hde_p_load32(hde->work_ + ((size_t)c * 256 + i) * 4);
            sum += n;
            same += n ? n * (n - 1) : 0;
        }
        equal += same;
        pairs += sum ? sum * (sum - 1) : 0;
    }
    return equal * 256 <= pairs + pairs / 20 * 3;
}

/* A whole state, in the smallest coding; a coding must save 1/11 of the bytes. Returns the bytes of
   the body; 0: empty, or out of room. */
static uint32_t dx_hde_p_encode_whole(dx_hde *hde, dx_hde_record *record, const uint8_t *state,
                                      uint8_t *out, size_t capacity)
{
    size_t size = (size_t)record->state_size, body_max = size / 11 * 10;
    bool codes = size >= 512 && !hde->desc_.plain, noise = false;
    uint32_t used = 0;
    record->kind = DX_HDE_WHOLE;
    record->keep = true;
    record->subtract = false;
    record->stride_log = 0;
    if (body_max > capacity) body_max = capacity;
    if (codes && !dx_hde_p_repeats(hde, state, (uint32_t)size)) {
        used = dx_hde_p_encode_zstd(hde, record, NULL, state, out, body_max);
        noise = !used && hde->desc_.zstd && dx_hde_p_is_noise(hde, state, (uint32_t)size);
    }
    if (codes && !used && !noise) {
        dx_hde_p_find_pieces(hde, NULL, state, (uint32_t)size);
        used = dx_hde_p_encode_range(hde, record, NULL, state, out, body_max);
        record->dictionary = 0;
    }
    DX_HDE_ASSERT(used <= capacity);
    if (used || capacity < size) return used;
    record->coding = DX_HDE_PLAIN;
    record->literal_bits = 0;
    record->dictionary = 0;
    if (size) DX_HDE_MEMCPY(out, state, size);
    return (uint32_t)size;
}

/* Make a record of the state whose hash is record->hash. Returns the bytes of its body; *whole: is
   it a whole state? A delta that is not much smaller than the state loses to a smaller whole
   state. */
static uint32_t dx_hde_p_encode(dx_hde *hde, dx_hde_record *record, dx_hde_p_baseline *base,
                                const uint8_t *state, uint8_t *out, size_t capacity, bool *whole)
{
    size_t size = (size_t)record->state_size;
    uint32_t used = 0, other;
    dx_hde_record second = *record;
    *whole = true;
    if (base && !hde->desc_.plain) {
        record->kind = DX_HDE_DELTA;
        record->keep = hde->desc_.rolling;
        DX_HDE_MEMCPY(record->baseline, base->hash, 32);
        used = dx_hde_p_encode_delta(hde, record, base, state, out, capacity);
#ifndef DX_PATCH_NO_CREATE
        used = dx_hde_p_encode_patch(hde, record, base, state, out, capacity, used);
#endif
        *whole = false;
        if (used && used + 32 < size / 10 * 7) return used;
    }
    other = dx_hde_p_encode_whole(hde, &second, state, out + used, capacity - used);
    if (used && (!other || other >= used + 32)) return used;
    if (!other && size) return 0;
    DX_HDE_ASSERT(other <= capacity - used);
    DX_HDE_MEMMOVE(out, out + used, other);
    *whole = true;
    *record = second;
    return other;
}

/* Update statistics, and the data of dx_hde_adapt_level(). */
static void dx_hde_p_count(dx_hde *hde, size_t state_size, size_t record_size, bool delta)
{
    hde->stats_.encoded++;
    hde->stats_.deltas += delta;
    hde->stats_.state_bytes += state_size;
    hde->stats_.record_bytes += record_size;
    hde->window_bytes_ += state_size;
    hde->window_record_bytes_ += record_size;
}

DX_HDE_API int dx_hde_encode(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *state,
                             size_t size, void *out, size_t out_capacity, size_t *out_size)
{
    dx_hde_p_baseline *base, *kept;
    dx_hde_record record;
    const uint8_t *bytes = state ? (const uint8_t *)state : record.hash;
    uint8_t *to = (uint8_t *)out;
    uint64_t whole_ms;
    uint32_t used, deltas;
    uint8_t coding, chain[32] = {0};
    bool had, whole;
    if (!hde || (!state && size) || !out || !out_size) return DX_HDE_EINVAL;
    *out_size = 0;
    if (size > hde->desc_.state_max) return DX_HDE_ETOOBIG;
    if (out_capacity < DX_HDE_HEAD_MAX) return DX_HDE_ENOSPACE;
    (void)dx_hde_prune(hde, now_ms);
    base = dx_hde_p_find(hde, key, NULL, 0);
    had = base != NULL;
    DX_HDE_MEMSET(&record, 0, sizeof record);
    record.state_size = size;
    record.hash_size = (uint8_t)hde->desc_.hash_size;
    dx_hde_p_hash(hde, base, bytes, (uint32_t)size, record.hash);
    if (base && (base->deltas >= hde->desc_.chain_max ||
                 (now_ms > base->whole_ms && now_ms - base->whole_ms >= hde->desc_.interval_ms)))
        base = NULL;
    used = dx_hde_p_encode(hde, &record, base, bytes, to + DX_HDE_HEAD_MAX,
                           out_capacity - DX_HDE_HEAD_MAX, &whole);
    if (!used && size) return DX_HDE_ENOSPACE;
    *out_size = dx_hde_p_seal(&record, to, used);
    dx_hde_p_count(hde, size, *out_size, !whole);
    hde->stats_.refreshes += had && whole;
    if (!whole) base->deltas++;
    if (!record.keep) return DX_HDE_OK;
    DX_HDE_ASSERT(whole || base);
    deltas = whole ? 0 : base->deltas;
    whole_ms = whole ? now_ms : base->whole_ms;
    coding = whole ? 0 : base->coding;
    if (!whole) DX_HDE_MEMCPY(chain, base->chain, sizeof chain);
    chain[record.hash[0] >> 3] |= (uint8_t)(1u << (record.hash[0] & 7));
    (void)dx_hde_drop(hde, key);
    kept = dx_hde_p_add(hde, key, now_ms, bytes, (uint32_t)size, record.hash);
    kept->deltas = deltas;
    kept->whole_ms = whole_ms;
    kept->coding = coding;
    DX_HDE_MEMCPY(kept->chain, chain, sizeof chain);
    return DX_HDE_OK;
}

DX_HDE_API void dx_hde_adapt_level(dx_hde *hde, uint64_t ms, bool busy)
{
    bool slow;
    if (!hde) return;
    hde->stats_.encode_ms += ms;
    slow = ms > hde->desc_.slow_ms || busy;
    hde->window_ = slow ? 0 : hde->window_ + 1;
    if (slow) hde->window_bytes_ = hde->window_record_bytes_ = 0;
    if (slow && hde->stats_.level > 1) hde->stats_.level--;
    if (hde->window_ < 100) return;
    if (hde->desc_.ratio_wanted && hde->window_record_bytes_ &&
        hde->window_bytes_ / hde->window_record_bytes_ * 100 >= hde->desc_.ratio_wanted) {
        if (hde->stats_.level > 1) hde->stats_.level--;
    } else if (hde->stats_.level < hde->desc_.level) {
        hde->stats_.level++;
    }
    hde->window_ = 0;
    hde->window_bytes_ = hde->window_record_bytes_ = 0;
}

DX_HDE_API void dx_hde_get_stats(const dx_hde *hde, dx_hde_stats *stats)
{
    *stats = hde->stats_;
    if (stats->encoded) stats->hit_percent = (uint32_t)(100 * stats->deltas / stats->encoded);
    if (stats->record_bytes)
        stats->ratio_percent = (uint32_t)(100 * stats->state_bytes / stats->record_bytes);
}

/* >>decode --------------------------------------------------------------
   Check first, then make the state in the caller's buffer, then hash it, then keep it:

       record -> dx_hde_info() -> baseline? room? -> pieces -> hash as in the head? -> keep
                 CRC, form        ENOTFOUND: nack    EBOUNDS   ETARGET

   dx_hde_compose() makes one record of two consecutive ones, for a receiver that missed the first:
   both are decoded into the caller's memory, one after the other, and encoded as one. */
/* Apply the patch in a record. It gets the memory that every decoder has, however much
   there is here. */
static int dx_hde_p_run_patch(const dx_hde *hde, const dx_hde_record *record,
                              const dx_hde_p_baseline *base, const uint8_t *body, uint8_t *out)
{
    dx_patch_header p;
    size_t size = (size_t)record->state_size, got;
    int error = dx_patch_info(body, (size_t)record->body_size, &p);
    if (error) return error;
    if (p.kind != DX_PATCH_KIND_DELTA || p.trailer_size || p.target_size != record->state_size ||
        p.memory_size > DX_HDE_P_PATCH_MEMORY)
        return DX_HDE_EHEADER;
    DX_HDE_ASSERT(hde->scratch_size_ >= (size_t)DX_HDE_P_PATCH_MEMORY);
    return dx_patch_apply(base->data, base->size, body, (size_t)record->body_size, out, size, &got,
                          hde->scratch_, (size_t)DX_HDE_P_PATCH_MEMORY);
}

/* Decode the state of a record whose baseline is base, NULL for a whole one, into
   record->state_size bytes; its complete hash into record->hash. */
static int dx_hde_p_state(dx_hde *hde, dx_hde_record *record, const dx_hde_p_baseline *base,
                          const uint8_t *body, uint8_t *out)
{
    uint8_t hash[32];
    size_t size = (size_t)record->state_size;
    dx_hde_p_reader reader;
    int error = DX_HDE_OK;
    DX_HDE_MEMSET(&reader, 0, sizeof reader);
    reader.base = base;
    reader.out = out;
    reader.size = (uint32_t)size;
    if (record->kind == DX_HDE_PATCH)
        error = dx_hde_p_run_patch(hde, record, base, body, out);
    else if (record->coding == DX_HDE_RANGE)
        error = dx_hde_p_decode_range(hde, record, body, &reader);
    else if (record->coding == DX_HDE_ZSTD_FRAME)
        error = dx_hde_p_decode_zstd(hde, record, body, &reader);
    else if (size)
        DX_HDE_MEMCPY(out, body, size);
    if (error) return error;
    dx_hde_p_hash(hde, base && base->values ? base : NULL, out, (uint32_t)size, hash);
    if (DX_HDE_MEMCMP(hash, record->hash, record->hash_size) != 0) return DX_HDE_ETARGET;
    DX_HDE_MEMCPY(record->hash, hash, 32);
    return DX_HDE_OK;
}

/* The baseline of a record, if it may be decoded here, into at most capacity bytes. */
static int dx_hde_p_baseline_of(const dx_hde *hde, uint64_t key, const dx_hde_record *record,
                                size_t capacity, dx_hde_p_baseline **base)
{
    *base = NULL;
    if (record->kind == DX_HDE_NACK) return DX_HDE_EVERSION;
    if (record->state_size > hde->desc_.state_max) return DX_HDE_ETOOBIG;
    if (record->state_size > capacity) return DX_HDE_ENOSPACE;
    if (record->kind == DX_HDE_WHOLE) return DX_HDE_OK;
    *base = dx_hde_p_find(hde, key, record->baseline, record->hash_size);
    return *base ? DX_HDE_OK : DX_HDE_ENOTFOUND;
}

DX_HDE_API int dx_hde_decode(dx_hde *hde, uint64_t key, uint64_t now_ms, const void *record,
                             size_t record_size, void *out, size_t out_capacity, size_t *out_size)
{
    dx_hde_record head;
    dx_hde_p_baseline *base;
    uint8_t none[1], *to = out ? (uint8_t *)out : none;
    int error;
    if (!hde || (!out && out_capacity) || !out_size) return DX_HDE_EINVAL;
    *out_size = 0;
    error = dx_hde_info(record, record_size, &head);
    if (error) return error;
    (void)dx_hde_prune(hde, now_ms);
    error = dx_hde_p_baseline_of(hde, key, &head, out_capacity, &base);
    if (!error)
        error = dx_hde_p_state(hde, &head, base, (const uint8_t *)record + head.head_size, to);
    if (error) return error;
    hde->stats_.decoded++;
    *out_size = (size_t)head.state_size;
    if (!head.keep) return DX_HDE_OK;
    base = dx_hde_p_find(hde, key, NULL, 0); /* kept for late deltas; older ones are dropped */
    (void)dx_hde_p_forget(hde, key, base);
    if (base && DX_HDE_MEMCMP(base->hash, head.hash, 32) == 0) (void)dx_hde_drop(hde, key);
    (void)dx_hde_p_add(hde, key, now_ms, to, (uint32_t)head.state_size, head.hash);
    return DX_HDE_OK;
}

/* Decode the states of two records, one after the other. */
static int dx_hde_p_both(dx_hde *hde, dx_hde_record record[2], const dx_hde_p_baseline *base,
                         const uint8_t *first, const uint8_t *second, uint8_t *states)
{
    dx_hde_p_baseline middle;
    int error = dx_hde_p_state(hde, &record[0], base, first + record[0].head_size, states);
    if (error) return error;
    DX_HDE_MEMSET(&middle, 0, sizeof middle);
    middle.data = states;
    middle.size = (uint32_t)record[0].state_size;
    return dx_hde_p_state(hde, &record[1], &middle, second + record[1].head_size,
                          states + middle.size);
}

DX_HDE_API int dx_hde_compose(dx_hde *hde, uint64_t key, const void *first, size_t first_size,
                              const void *second, size_t second_size, void *work, size_t work_size,
                              void *out, size_t out_capacity, size_t *out_size)
{
    dx_hde_record record[2];
    dx_hde_p_baseline *base;
    uint8_t *states = (uint8_t *)work, *to = (uint8_t *)out;
    bool whole, keep;
    uint32_t used;
    int error;
    if (!hde || !work || !out || !out_size) return DX_HDE_EINVAL;
    *out_size = 0;
    error = dx_hde_info(first, first_size, &record[0]);
    if (!error) error = dx_hde_info(second, second_size, &record[1]);
    if (error) return error;
    if (record[0].kind == DX_HDE_NACK || record[1].kind == DX_HDE_NACK) return DX_HDE_EVERSION;
    if (record[1].kind == DX_HDE_WHOLE || record[0].hash_size != record[1].hash_size ||
        DX_HDE_MEMCMP(record[0].hash, record[1].baseline, record[1].hash_size) != 0)
        return DX_HDE_EBASE;
    error = dx_hde_p_baseline_of(hde, key, &record[0], SIZE_MAX, &base);
    if (error) return error;
    if (record[1].state_size > hde->desc_.state_max) return DX_HDE_ETOOBIG;
    if (record[0].state_size > work_size || record[1].state_size > work_size - record[0].state_size)
        return DX_HDE_ENOMEM;
    if (out_capacity < DX_HDE_HEAD_MAX) return DX_HDE_ENOSPACE;
    error =
        dx_hde_p_both(hde, record, base, (const uint8_t *)first, (const uint8_t *)second, states);
    if (error) return error;
    states += record[0].state_size;
    keep = record[1].keep;
    record[1].dictionary = 0;
    dx_hde_p_hash(hde, base, states, (uint32_t)record[1].state_size, record[1].hash);
    used = dx_hde_p_encode(hde, &record[1], base, states, to + DX_HDE_HEAD_MAX,
                           out_capacity - DX_HDE_HEAD_MAX, &whole);
    if (!used && record[1].state_size) return DX_HDE_ENOSPACE;
    record[1].keep = keep;
    *out_size = dx_hde_p_seal(&record[1], to, used);
    return DX_HDE_OK;
}

/* >>dictionaries --------------------------------------------------------
   Samples of states are collected until there are enough to train a dictionary for zstd:

       memory   | pad | sizes of samples_max samples | sample 0 | sample 1 | ...... used_ | free |

   Its id, 32768 + its version, is in each record that was made with it. */
#ifdef DX_HDE_ZSTD
/* The sizes of the samples are at the start of the memory. */
static size_t *dx_hde_p_sizes(dx_hde_trainer *trainer, uint32_t *samples_max, size_t *room)
{
    size_t skip = (sizeof(size_t) - (uintptr_t)trainer->memory % sizeof(size_t)) % sizeof(size_t);
    *samples_max = trainer->samples_max ? trainer->samples_max : 1000;
    if (!trainer->memory || trainer->memory_size < skip) return NULL;
    if ((trainer->memory_size - skip) / sizeof(size_t) < *samples_max) return NULL;
    *room = trainer->memory_size - skip - *samples_max * sizeof(size_t);
    return (size_t *)(void *)((uint8_t *)trainer->memory + skip);
}

DX_HDE_API int dx_hde_trainer_add(dx_hde_trainer *trainer, const void *sample, size_t size)
{
    uint32_t samples_max;
    size_t room, *sizes;
    if (!trainer || !sample || size < (trainer->sample_min ? trainer->sample_min : 1024))
        return DX_HDE_EINVAL;
    sizes = dx_hde_p_sizes(trainer, &samples_max, &room);
    if (!sizes || trainer->count_ >= samples_max || size > room - trainer->used_)
        return DX_HDE_ENOSPACE;
    DX_HDE_MEMCPY((uint8_t *)(sizes + samples_max) + trainer->used_, sample, size);
    sizes[trainer->count_++] = size;
    trainer->used_ += size;
    return DX_HDE_OK;
}

DX_HDE_API int dx_hde_train(dx_hde_trainer *trainer, uint64_t now_ms, void *dictionary,
                            size_t capacity, size_t *size)
{
    uint32_t samples_max;
    size_t room, *sizes, n;
    if (!trainer || !dictionary || !size) return DX_HDE_EINVAL;
    *size = 0;
    sizes = dx_hde_p_sizes(trainer, &samples_max, &room);
    if (!sizes || trainer->count_ < 8) return DX_HDE_EAGAIN;
    if (trainer->version &&
        now_ms - trainer->trained_ms_ < (trainer->interval_ms ? trainer->interval_ms : 86400000))
        return DX_HDE_EAGAIN;
    if (capacity > 131072) capacity = 131072;
    n = ZDICT_trainFromBuffer(dictionary, capacity, sizes + samples_max, sizes, trainer->count_);
    if (ZDICT_isError(n) || n < 8) return DX_HDE_ESYS;
    trainer->version++;
    trainer->trained_ms_ = now_ms;
    trainer->count_ = 0;
    trainer->used_ = 0;
    dx_hde_p_store32((uint8_t *)dictionary + 4, 32768 + trainer->version); /* RFC 8878, section 5 */
    *size = n;
    return DX_HDE_OK;
}
#endif

#endif /* DX_HDE_IMPLEMENTATION */

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
