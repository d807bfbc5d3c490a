/*  dx_sha256.h - v0.3.0 - SHA-256 and HMAC-SHA-256, with the processor's SHA instructions
                          - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_SHA256_IMPLEMENTATION      (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_sha256.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf}; // the hash of "abc" begins so
        uint8_t digest[DX_SHA256_SIZE], mac[DX_SHA256_SIZE], again[DX_SHA256_SIZE];
        dx_sha256 h;
        dx_sha256_hash("abc", 3, digest);                       // all at once ...
        if (memcmp(digest, abc, sizeof abc) != 0) return 1;
        dx_sha256_hmac("key", 3, "message", 7, mac);
        dx_sha256_init_keyed(&h, "key", 3);                     // ... or in pieces of any size
        dx_sha256_update(&h, "mess", 4);
        dx_sha256_update(&h, "age", 3);
        dx_sha256_final(&h, again, sizeof again);
        if (!dx_sha256_equal(mac, again, sizeof mac)) return 2; // in constant time

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>shared  >>compress  >>x86  >>arm  >>public  >>license

    It includes no other file of dx. With it, dx_cas.h makes stores whose ids are SHA-256, if every
    file of the program defines this before it includes dx_cas.h:

        #include "layers/dx_sha256.h"
        #define DX_CAS_HASHER        dx_sha256
        #define DX_CAS_HASHER_NUMBER 2                          // in the header of such a store
        #include "dx_cas.h"

    Then the id of an object is what sha256sum prints (OCI images, the remote execution API), and
    the trees of layers/dx_merkle.h are those of RFC 6962 itself.

    GUARANTEES
        - The same result on every platform and for every way to split the input.
        - No allocation, no globals, no recursion. Time depends on sizes only, never on content or
          key; dx_sha256_equal() does not reveal where two MACs differ.
    LIMITS      2^61 - 1 bytes of input.
    SIZE        code: x86-64 2,557, Cortex-M0 1,404; objects: dx_sha256 144
    THREADS     Functions share nothing; a dx_sha256 belongs to one thread at a time.
    CONFIG      DX_SHA256_STATIC      functions become static
                DX_SHA256_API         how functions are declared
                DX_SHA256_ASSERT(c)   <assert.h> when hosted
                DX_SHA256_MEMCPY, DX_SHA256_MEMSET
                DX_SHA256_PORTABLE    no special instructions. Otherwise the SHA extensions of
                                      x86-64 (gcc: detected at run time; clang: with -msha) and of
                                      ARMv8 (if the target has them)
    ERRORS      No call fails, so there is no list of errors. A broken contract is an assertion.
    OWNERSHIP   Input is used during the call only. A dx_sha256 holds no pointer and may be copied.
                After HMAC its state is derived from the key: clear it if that matters.
    FORMAT      FIPS 180-4 (SHA-256), RFC 2104 (HMAC).
*/
#ifndef DX_SHA256_H
#define DX_SHA256_H

#define DX_SHA256_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_SHA256_API
  #ifndef DX_SHA256_STATIC
    #define DX_SHA256_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_SHA256_API static __attribute__((unused))
  #else
    #define DX_SHA256_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
enum {
    DX_SHA256_SIZE = 32,      /* bytes of a hash or a MAC */
    DX_SHA256_BLOCK_SIZE = 64 /* bytes compressed at once */
};

typedef struct dx_sha256 { /* caller-allocated; fields are private; may be copied */
    uint32_t state_[8];                      /* the hash of all complete blocks */
    uint32_t outer_[8];                      /* HMAC: the state after the outer key's block */
    uint64_t size_;                          /* bytes hashed, including the inner key's block */
    uint8_t  block_[DX_SHA256_BLOCK_SIZE];   /* the size_ % 64 bytes of a partial block */
    uint8_t  kind_;                          /* last step of dx_sha256_final(): dx_sha256_p_kind */
} dx_sha256;

/* >>api ---------------------------------------------------------------- */
/* data may be NULL when size is 0. O(size). */
DX_SHA256_API void dx_sha256_hash(const void *data, size_t size, uint8_t out[DX_SHA256_SIZE]);
/* HMAC-SHA-256 with a key of any size. */
DX_SHA256_API void dx_sha256_hmac(const void *key, size_t key_size, const void *data, size_t size,
                                  uint8_t out[DX_SHA256_SIZE]);
/* Constant-time comparison: for MACs and other secrets. */
DX_SHA256_API bool dx_sha256_equal(const void *a, const void *b, size_t size);

/* --- Incrementally: init, any number of updates, final. */
DX_SHA256_API void dx_sha256_init(dx_sha256 *h);
DX_SHA256_API void dx_sha256_init_keyed(dx_sha256 *h, const void *key, size_t key_size);
/* HMAC under a context, with every bit of the output inverted, so that no content has this value as
   its plain SHA-256 unless SHA-256 is broken. dx_cas.h uses it where BLAKE3 would derive a key: for
   list nodes, ref records and commit chains (docs/formats/cas.md). */
DX_SHA256_API void dx_sha256_init_derive(dx_sha256 *h, const void *context, size_t context_size);
DX_SHA256_API void dx_sha256_update(dx_sha256 *h, const void *data, size_t size);
/* The first size bytes (at most 32) of the result. *h is unchanged: more updates may follow. */
DX_SHA256_API void dx_sha256_final(const dx_sha256 *h, void *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif /* DX_SHA256_H */

#if (defined(DX_SHA256_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_SHA256_IMPLEMENTED)
#define DX_SHA256_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_SHA256_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_SHA256_ASSERT(c) assert(c)
  #else
    #define DX_SHA256_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_SHA256_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_SHA256_P_LIBC(name) name
#endif
#ifndef DX_SHA256_MEMCPY
  #define DX_SHA256_MEMCPY DX_SHA256_P_LIBC(memcpy)
#endif
#ifndef DX_SHA256_MEMSET
  #define DX_SHA256_MEMSET DX_SHA256_P_LIBC(memset)
#endif

/* Which code compresses blocks. X86 alone means detection at run time. */
#if defined(DX_SHA256_PORTABLE)
#elif defined(__x86_64__) && defined(__has_builtin) &&                                             \
    (defined(__SHA__) || (defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11 &&            \
                          __STDC_HOSTED__ == 1))
  #if __has_builtin(__builtin_shufflevector)
    #define DX_SHA256_P_X86
  #endif
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2) &&                                       \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  #define DX_SHA256_P_ARM
  #include <arm_neon.h>
#endif

/* Rounds index small arrays by i & 3 and the like: unrolled, these stay in registers. */
#if defined(__OPTIMIZE_SIZE__) || !defined(__OPTIMIZE__)
  #define DX_SHA256_P_UNROLL
#elif defined(__clang__)
  #define DX_SHA256_P_UNROLL _Pragma("clang loop unroll_count(16)")
#else
  #define DX_SHA256_P_UNROLL _Pragma("GCC unroll 16")
#endif

/* >>shared --------------------------------------------------------------
   Big-endian words: the one place where a dx file is not little-endian, because FIPS 180-4 is. */
static uint32_t dx_sha256_p_load32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void dx_sha256_p_store32be(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16 & 0xff);
    p[2] = (uint8_t)(v >> 8 & 0xff);
    p[3] = (uint8_t)(v & 0xff);
}
/* <<shared */

/* >>compress ------------------------------------------------------------
   The message is padded to whole blocks of 64 bytes, and each block is mixed into a state of eight
   words by 64 rounds:

       message  ........ ........ ....|80 00 .. 00|size in bits, 8 bytes
                 block 0   block 1       last block (or two)

       state  a b c d e f g h  --round-->  t1+t2 a b c  d+t1 e f g     (t1 takes w[i] and k[i])

   A round moves every word one place and changes two of them. w[] is the block's 16 words and 48
   more, each computed from four earlier ones; k[] are the first bits of the cube roots of the first
   64 primes. */
static const uint32_t dx_sha256_p_k[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u};

/* The four sigma functions of FIPS 180-4, 4.1.2. */
#define DX_SHA256_P_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define DX_SHA256_P_SUM0(x)                                                                        \
    (DX_SHA256_P_ROTR(x, 2) ^ DX_SHA256_P_ROTR(x, 13) ^ DX_SHA256_P_ROTR(x, 22))
#define DX_SHA256_P_SUM1(x)                                                                        \
    (DX_SHA256_P_ROTR(x, 6) ^ DX_SHA256_P_ROTR(x, 11) ^ DX_SHA256_P_ROTR(x, 25))
#define DX_SHA256_P_SIGMA0(x) (DX_SHA256_P_ROTR(x, 7) ^ DX_SHA256_P_ROTR(x, 18) ^ (x) >> 3)
#define DX_SHA256_P_SIGMA1(x) (DX_SHA256_P_ROTR(x, 17) ^ DX_SHA256_P_ROTR(x, 19) ^ (x) >> 10)

/* The message schedule: 64 words, one for each round of a block. */
static void dx_sha256_p_schedule(uint32_t w[64], const uint8_t *block)
{
    unsigned i;
    for (i = 0; i < 16; i++) w[i] = dx_sha256_p_load32be(block + 4 * i);
    for (; i < 64; i++) {
        uint32_t x = w[i - 15];
        uint32_t y = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + DX_SHA256_P_SIGMA0(x) + DX_SHA256_P_SIGMA1(y);
    }
}

/* Portable code: compress count blocks. */
static void dx_sha256_p_plain(uint32_t state[8], const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += DX_SHA256_BLOCK_SIZE) {
        uint32_t w[64];
        uint32_t a = state[0];
        uint32_t b = state[1];
        uint32_t c = state[2];
        uint32_t d = state[3];
        uint32_t e = state[4];
        uint32_t f = state[5];
        uint32_t g = state[6];
        uint32_t h = state[7];
        unsigned i;
        dx_sha256_p_schedule(w, p);
        DX_SHA256_P_UNROLL for (i = 0; i < 64; i++) {
            uint32_t choice = g ^ (e & (f ^ g));
            uint32_t majority = (a & b) | (c & (a | b));
            uint32_t t1 = h + DX_SHA256_P_SUM1(e) + choice + dx_sha256_p_k[i] + w[i];
            uint32_t t2 = DX_SHA256_P_SUM0(a) + majority;
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

/* >>x86 -----------------------------------------------------------------
   One instruction does two rounds. It takes the state as two vectors, lowest element first,

       abef: f e b a        cdgh: h g d c

   and w[i] + k[i] in the two low elements of a third. After two rounds the old abef is the new
   cdgh, so that the two vectors swap roles with each instruction. m[] holds the last 16 words of
   the schedule, four in a vector; msg1 and msg2 are the two halves of the schedule's recurrence.
   Types and builtins are the compiler's own, because <immintrin.h> would need a target switch. */
#ifdef DX_SHA256_P_X86
typedef uint32_t dx_sha256_p_v4 __attribute__((vector_size(16)));
typedef int dx_sha256_p_i4 __attribute__((vector_size(16))); /* the builtins' arguments */
typedef uint8_t dx_sha256_p_v16 __attribute__((vector_size(16)));
#define DX_SHA256_P_OP(op, ...) ((dx_sha256_p_v4)__builtin_ia32_sha256##op(__VA_ARGS__))
#define DX_SHA256_P_I(v) ((dx_sha256_p_i4)(v))

/* The position of each word of the state in the two vectors. */
static const uint8_t dx_sha256_p_places[8] = {3, 2, 7, 6, 1, 0, 5, 4};

__attribute__((target("sha,sse4.1"))) static void
dx_sha256_p_fast(uint32_t state[8], const uint8_t *p, size_t count)
{
    dx_sha256_p_v4 abef, cdgh, m[4] = {{0}};
    uint32_t words[8];
    unsigned i;
    for (i = 0; i < 8; i++) words[dx_sha256_p_places[i]] = state[i];
    DX_SHA256_MEMCPY(&abef, words, sizeof abef);
    DX_SHA256_MEMCPY(&cdgh, words + 4, sizeof cdgh);
    for (; count > 0; count--, p += DX_SHA256_BLOCK_SIZE) {
        dx_sha256_p_v4 old_abef = abef;
        dx_sha256_p_v4 old_cdgh = cdgh;
        DX_SHA256_P_UNROLL for (i = 0; i < 16; i++) { /* four rounds each */
            dx_sha256_p_v4 now, k, wk;
            dx_sha256_p_v4 last = m[(i + 3) & 3];
            if (i < 4) {
                dx_sha256_p_v16 bytes;
                DX_SHA256_MEMCPY(&bytes, p + 16 * i, sizeof bytes);
                now = (dx_sha256_p_v4)__builtin_shufflevector(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4,
                                                              11, 10, 9, 8, 15, 14, 13, 12);
            } else {
                now = DX_SHA256_P_OP(msg1, DX_SHA256_P_I(m[i & 3]), DX_SHA256_P_I(m[(i + 1) & 3]));
                now += __builtin_shufflevector(m[(i + 2) & 3], last, 1, 2, 3, 4);
                now = DX_SHA256_P_OP(msg2, DX_SHA256_P_I(now), DX_SHA256_P_I(last));
            }
            m[i & 3] = now;
            DX_SHA256_MEMCPY(&k, dx_sha256_p_k + 4 * i, sizeof k);
            wk = now + k;
            cdgh = DX_SHA256_P_OP(rnds2, DX_SHA256_P_I(cdgh), DX_SHA256_P_I(abef),
                                  DX_SHA256_P_I(wk));
            wk = __builtin_shufflevector(wk, wk, 2, 3, 2, 3);
            abef = DX_SHA256_P_OP(rnds2, DX_SHA256_P_I(abef), DX_SHA256_P_I(cdgh),
                                  DX_SHA256_P_I(wk));
        }
        abef += old_abef;
        cdgh += old_cdgh;
    }
    DX_SHA256_MEMCPY(words, &abef, sizeof abef);
    DX_SHA256_MEMCPY(words + 4, &cdgh, sizeof cdgh);
    for (i = 0; i < 8; i++) state[i] = words[dx_sha256_p_places[i]];
}
#undef DX_SHA256_P_OP
#undef DX_SHA256_P_I
#endif

/* >>arm -----------------------------------------------------------------
   Four rounds are two instructions, one for each half of the state; the second needs abcd from
   before the first. m[] holds 16 words of the schedule, and each iteration replaces the four that
   it has used by those 16 later. */
#ifdef DX_SHA256_P_ARM
static void dx_sha256_p_fast(uint32_t state[8], const uint8_t *p, size_t count)
{
    uint32x4_t abcd = vld1q_u32(state);
    uint32x4_t efgh = vld1q_u32(state + 4);
    for (; count > 0; count--, p += DX_SHA256_BLOCK_SIZE) {
        uint32x4_t old_abcd = abcd;
        uint32x4_t old_efgh = efgh;
        uint32x4_t m[4];
        unsigned i;
        for (i = 0; i < 4; i++) m[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * i)));
        DX_SHA256_P_UNROLL for (i = 0; i < 16; i++) {
            uint32x4_t wk = vaddq_u32(m[i & 3], vld1q_u32(dx_sha256_p_k + 4 * i));
            uint32x4_t before = abcd;
            if (i < 12) {
                m[i & 3] = vsha256su1q_u32(vsha256su0q_u32(m[i & 3], m[(i + 1) & 3]),
                                           m[(i + 2) & 3], m[(i + 3) & 3]);
            }
            abcd = vsha256hq_u32(abcd, efgh, wk);
            efgh = vsha256h2q_u32(efgh, before, wk);
        }
        abcd = vaddq_u32(abcd, old_abcd);
        efgh = vaddq_u32(efgh, old_efgh);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}
#endif

/* >>public --------------------------------------------------------------
   HMAC is SHA-256 twice, each time after a block derived from the key:

       inner = SHA-256(key ^ 36 36 ..  |  message)        state_, fed by update
       MAC   = SHA-256(key ^ 5c 5c ..  |  inner)          outer_ is the state after that block  */
typedef enum dx_sha256_p_kind {
    DX_SHA256_P_HASH = 0,   /* the state is the result */
    DX_SHA256_P_HMAC = 1,   /* it is hashed again, from outer_ */
    DX_SHA256_P_DERIVE = 2  /* the same, with every bit inverted */
} dx_sha256_p_kind;

enum {
    DX_SHA256_P_SIZE_FIELD = 8, /* at the end of the last block: the message's size in bits */
    DX_SHA256_P_INNER_PAD = 0x36,
    DX_SHA256_P_OUTER_PAD = 0x5c
};

static void dx_sha256_p_blocks(uint32_t state[8], const uint8_t *p, size_t count)
{
#if defined(DX_SHA256_P_ARM) || (defined(DX_SHA256_P_X86) && defined(__SHA__))
    (void)dx_sha256_p_plain; /* tests compare it */
    dx_sha256_p_fast(state, p, count);
#elif defined(DX_SHA256_P_X86)
    if (__builtin_cpu_supports("sha")) dx_sha256_p_fast(state, p, count);
    else dx_sha256_p_plain(state, p, count);
#else
    dx_sha256_p_plain(state, p, count);
#endif
}

/* Pad and finish. The state covers all complete blocks; rest holds the bytes after them, and size
   counts all bytes. */
static void dx_sha256_p_end(uint32_t state[8], const uint8_t *rest, uint64_t size,
                            uint8_t out[DX_SHA256_SIZE])
{
    uint8_t padded[2 * DX_SHA256_BLOCK_SIZE] = {0};
    size_t fill = (size_t)(size % DX_SHA256_BLOCK_SIZE);
    size_t count = fill + DX_SHA256_P_SIZE_FIELD < DX_SHA256_BLOCK_SIZE ? 1 : 2;
    uint8_t *bits = padded + DX_SHA256_BLOCK_SIZE * count - DX_SHA256_P_SIZE_FIELD;
    size_t i;
    DX_SHA256_ASSERT(padded + fill < bits); /* 0x80 ends the message, before its size */
    if (fill) DX_SHA256_MEMCPY(padded, rest, fill);
    padded[fill] = 0x80;
    dx_sha256_p_store32be(bits, (uint32_t)(size >> 29 & 0xffffffffu));
    dx_sha256_p_store32be(bits + 4, (uint32_t)(size << 3 & 0xffffffffu));
    dx_sha256_p_blocks(state, padded, count);
    for (i = 0; i < 8; i++) dx_sha256_p_store32be(out + 4 * i, state[i]);
}

DX_SHA256_API void dx_sha256_init(dx_sha256 *h)
{
    static const uint32_t first[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    DX_SHA256_ASSERT(h);
    DX_SHA256_MEMCPY(h->state_, first, sizeof first);
    DX_SHA256_MEMSET(h->outer_, 0, sizeof h->outer_);
    h->size_ = 0;
    h->kind_ = DX_SHA256_P_HASH;
}

DX_SHA256_API void dx_sha256_init_keyed(dx_sha256 *h, const void *key, size_t key_size)
{
    uint8_t block[DX_SHA256_BLOCK_SIZE] = {0};
    unsigned i;
    DX_SHA256_ASSERT(h && (key || key_size == 0));
    dx_sha256_init(h);
    if (key_size > DX_SHA256_BLOCK_SIZE) { /* use its hash as the key */
        dx_sha256_update(h, key, key_size);
        dx_sha256_final(h, block, DX_SHA256_SIZE);
        dx_sha256_init(h);
    } else if (key_size) {
        DX_SHA256_MEMCPY(block, key, key_size);
    }
    DX_SHA256_MEMCPY(h->outer_, h->state_, sizeof h->outer_);
    for (i = 0; i < sizeof block; i++) block[i] ^= DX_SHA256_P_OUTER_PAD;
    dx_sha256_p_blocks(h->outer_, block, 1);
    for (i = 0; i < sizeof block; i++) block[i] ^= DX_SHA256_P_OUTER_PAD ^ DX_SHA256_P_INNER_PAD;
    dx_sha256_update(h, block, sizeof block);
    h->kind_ = DX_SHA256_P_HMAC;
}

DX_SHA256_API void dx_sha256_init_derive(dx_sha256 *h, const void *context, size_t context_size)
{
    dx_sha256_init_keyed(h, context, context_size);
    h->kind_ = DX_SHA256_P_DERIVE;
}

DX_SHA256_API void dx_sha256_update(dx_sha256 *h, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t fill;
    DX_SHA256_ASSERT(h && (data || size == 0));
    DX_SHA256_ASSERT(h->kind_ == DX_SHA256_P_HASH || h->size_ >= DX_SHA256_BLOCK_SIZE);
    fill = (size_t)(h->size_ % DX_SHA256_BLOCK_SIZE);
    h->size_ += size;
    if (fill) { /* first complete the partial block */
        size_t room = DX_SHA256_BLOCK_SIZE - fill;
        size_t take = size < room ? size : room;
        if (take) DX_SHA256_MEMCPY(h->block_ + fill, p, take);
        if (take < room) return;
        dx_sha256_p_blocks(h->state_, h->block_, 1);
        p += take;
        size -= take;
    }
    if (size >= DX_SHA256_BLOCK_SIZE) { /* then whole blocks, in place */
        dx_sha256_p_blocks(h->state_, p, size / DX_SHA256_BLOCK_SIZE);
        p += size - size % DX_SHA256_BLOCK_SIZE;
        size %= DX_SHA256_BLOCK_SIZE;
    }
    if (size) DX_SHA256_MEMCPY(h->block_, p, size);
}

DX_SHA256_API void dx_sha256_final(const dx_sha256 *h, void *out, size_t size)
{
    uint32_t state[8];
    uint8_t digest[DX_SHA256_SIZE];
    unsigned i;
    DX_SHA256_ASSERT(h && (out || size == 0));
    DX_SHA256_ASSERT(size <= sizeof digest && h->kind_ <= DX_SHA256_P_DERIVE);
    DX_SHA256_MEMCPY(state, h->state_, sizeof state);
    dx_sha256_p_end(state, h->block_, h->size_, digest);
    if (h->kind_ != DX_SHA256_P_HASH) {
        DX_SHA256_MEMCPY(state, h->outer_, sizeof state);
        dx_sha256_p_end(state, digest, DX_SHA256_BLOCK_SIZE + sizeof digest, digest);
    }
    if (h->kind_ == DX_SHA256_P_DERIVE) {
        for (i = 0; i < sizeof digest; i++) digest[i] ^= 0xff;
    }
    if (size) DX_SHA256_MEMCPY(out, digest, size);
}

DX_SHA256_API void dx_sha256_hash(const void *data, size_t size, uint8_t out[DX_SHA256_SIZE])
{
    dx_sha256 h;
    dx_sha256_init(&h);
    dx_sha256_update(&h, data, size);
    dx_sha256_final(&h, out, DX_SHA256_SIZE);
}

DX_SHA256_API void dx_sha256_hmac(const void *key, size_t key_size, const void *data, size_t size,
                                  uint8_t out[DX_SHA256_SIZE])
{
    dx_sha256 h;
    dx_sha256_init_keyed(&h, key, key_size);
    dx_sha256_update(&h, data, size);
    dx_sha256_final(&h, out, DX_SHA256_SIZE);
}

DX_SHA256_API bool dx_sha256_equal(const void *a, const void *b, size_t size)
{
    const uint8_t *p = (const uint8_t *)a;
    const uint8_t *q = (const uint8_t *)b;
    unsigned different = 0; /* no branch before all bytes are compared */
    size_t i;
    DX_SHA256_ASSERT((a && b) || size == 0);
    for (i = 0; i < size; i++) different |= (unsigned)(p[i] ^ q[i]);
    return different == 0;
}

#undef DX_SHA256_P_ROTR
#undef DX_SHA256_P_SUM0
#undef DX_SHA256_P_SUM1
#undef DX_SHA256_P_SIGMA0
#undef DX_SHA256_P_SIGMA1
#undef DX_SHA256_P_UNROLL
#endif /* DX_SHA256_IMPLEMENTATION */

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
