/*  dx_sha256.h - SHA-256 and HMAC-SHA-256, and stores of dx_cas.h whose ids are SHA-256

    Include it in place of dx_cas.h, which it includes:

        #define DX_CAS_IMPLEMENTATION         (in one file, or DX_IMPLEMENTATION)
        #include "layers/dx_sha256.h"

    Then every id is SHA-256: that of an object is what sha256sum prints (OCI images, the remote
    execution API), dx_cas_hash() computes it, and the trees of layers/dx_merkle.h are those of RFC
    6962 itself. All files of a program must agree. A store says in its header of which hash its
    ids are; one of the other kind is refused (DX_CAS_ENOTSUP). dx_cas_blake3_...() is there still.

        dx_sha256 h;
        dx_sha256_init(&h);                    // or _init_keyed(&h, key, size): HMAC
        dx_sha256_update(&h, data, size);      // split in any way
        dx_sha256_final(&h, digest, 32);

    Runs on the SHA extensions of x86-64 (gcc: found at run time; clang: with -msha) and of ARMv8
    (where the target has them); else on portable code. FIPS 180-4, RFC 2104. MIT-0 or public
    domain, as dx_cas.h. No call fails; data may be NULL for size 0.
*/
#ifndef DX_SHA256_H
#define DX_SHA256_H
#ifdef DX_CAS_H
  #error "include layers/dx_sha256.h before dx_cas.h"
#endif
#define DX_CAS_SHA256

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_API
  #ifndef DX_CAS_STATIC
    #define DX_CAS_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_API static __attribute__((unused))
  #else
    #define DX_CAS_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_sha256 { /* caller-allocated, private, may be copied */
    uint32_t state_[8], outer_[8]; /* outer_: HMAC, the state behind the outer key */
    uint64_t size_;                /* bytes so far, the key's block included */
    uint8_t  block_[64];
    uint8_t  kind_;                /* 0: plain, 1: HMAC, 2: HMAC whose bits are turned over */
} dx_sha256;

DX_CAS_API void dx_sha256_init(dx_sha256 *h);
/* HMAC-SHA-256 (RFC 2104) with a key of any size. */
DX_CAS_API void dx_sha256_init_keyed(dx_sha256 *h, const void *key, size_t key_size);
/* HMAC under a context, with every bit of the output turned over, so that no content has such an
   id for its SHA-256 unless SHA-256 is broken: for list nodes, ref records, chains of commits. */
DX_CAS_API void dx_sha256_init_derive(dx_sha256 *h, const void *context,
                                          size_t context_size);
DX_CAS_API void dx_sha256_update(dx_sha256 *h, const void *data, size_t size);
/* The first size bytes (at most 32) of the output. *h is unchanged: more may follow. */
DX_CAS_API void dx_sha256_final(const dx_sha256 *h, void *out, size_t size);

#ifdef __cplusplus
}
#endif

#include "../dx_cas.h"
#endif /* DX_SHA256_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_SHA256_IMPLEMENTED)
#define DX_SHA256_IMPLEMENTED

/* FIPS 180-4, section 4.2.2. */
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

static uint32_t dx_sha256_p_load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void dx_sha256_p_store(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16 & 0xff);
    p[2] = (uint8_t)(v >> 8 & 0xff);
    p[3] = (uint8_t)(v & 0xff);
}

#define DX_SHA256_P_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#if defined(__OPTIMIZE_SIZE__) || !defined(__OPTIMIZE__)
  #define DX_SHA256_P_UNROLL
#elif defined(__clang__)
  #define DX_SHA256_P_UNROLL _Pragma("clang loop unroll_count(16)")
#else
  #define DX_SHA256_P_UNROLL _Pragma("GCC unroll 16")
#endif

/* Portable: count blocks of 64 bytes. */
static void dx_sha256_p_plain(uint32_t state[8], const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += 64) {
        uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4],
                 f = state[5], g = state[6], h = state[7];
        unsigned i;
        for (i = 0; i < 16; i++) w[i] = dx_sha256_p_load(p + 4 * i);
        for (; i < 64; i++) {
            uint32_t x = w[i - 15], y = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] +
                   (DX_SHA256_P_ROTR(x, 7) ^ DX_SHA256_P_ROTR(x, 18) ^ x >> 3) +
                   (DX_SHA256_P_ROTR(y, 17) ^ DX_SHA256_P_ROTR(y, 19) ^ y >> 10);
        }
        DX_SHA256_P_UNROLL for (i = 0; i < 64; i++) {
            uint32_t t1, t2;
            t1 = h + dx_sha256_p_k[i] + w[i] + (g ^ (e & (f ^ g))) +
                 (DX_SHA256_P_ROTR(e, 6) ^ DX_SHA256_P_ROTR(e, 11) ^ DX_SHA256_P_ROTR(e, 25));
            t2 = ((a & b) | (c & (a | b))) +
                 (DX_SHA256_P_ROTR(a, 2) ^ DX_SHA256_P_ROTR(a, 13) ^ DX_SHA256_P_ROTR(a, 22));
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

/* The SHA extensions. DX_CAS_LANES 1 asks for portable code, here too. */
#if defined(DX_CAS_LANES) && DX_CAS_LANES == 1
#elif defined(__x86_64__) && defined(__has_builtin) && \
    (defined(__SHA__) || (defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11 && \
                          __STDC_HOSTED__ == 1))
  #if __has_builtin(__builtin_shufflevector)
    #define DX_SHA256_P_X86
  #endif
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  #define DX_SHA256_P_ARM
  #include <arm_neon.h>
#endif

#ifdef DX_SHA256_P_X86
typedef uint32_t dx_sha256_p_v4 __attribute__((vector_size(16)));
typedef int dx_sha256_p_i4 __attribute__((vector_size(16))); /* what the builtins take */
typedef uint8_t dx_sha256_p_v16 __attribute__((vector_size(16)));
#define DX_SHA256_P_OP(op, ...) ((dx_sha256_p_v4)__builtin_ia32_sha256##op(__VA_ARGS__))
#define DX_SHA256_P_I(v) ((dx_sha256_p_i4)(v))

/* Four rounds take four words: abef and cdgh change their roles after two. */
__attribute__((target("sha,sse4.1"))) static void
dx_sha256_p_fast(uint32_t state[8], const uint8_t *p, size_t count)
{
    dx_sha256_p_v4 abef, cdgh, was[2], m[4], wk;
    uint32_t in[8] = {state[5], state[4], state[1], state[0],
                      state[7], state[6], state[3], state[2]};
    DX_CAS_MEMCPY(&abef, in, 16);
    DX_CAS_MEMCPY(&cdgh, in + 4, 16);
    for (; count > 0; count--, p += 64) {
        unsigned i;
        was[0] = abef;
        was[1] = cdgh;
        DX_SHA256_P_UNROLL for (i = 0; i < 16; i++) {
            dx_sha256_p_v4 now, last = m[(i + 3) & 3], k;
            if (i < 4) {
                dx_sha256_p_v16 bytes;
                DX_CAS_MEMCPY(&bytes, p + 16 * i, 16);
                now = (dx_sha256_p_v4)__builtin_shufflevector(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4,
                                                               11, 10, 9, 8, 15, 14, 13, 12);
            } else {
                now = DX_SHA256_P_OP(msg1, DX_SHA256_P_I(m[i & 3]),
                                      DX_SHA256_P_I(m[(i + 1) & 3]));
                now += __builtin_shufflevector(m[(i + 2) & 3], last, 1, 2, 3, 4);
                now = DX_SHA256_P_OP(msg2, DX_SHA256_P_I(now), DX_SHA256_P_I(last));
            }
            m[i & 3] = now;
            DX_CAS_MEMCPY(&k, dx_sha256_p_k + 4 * i, 16);
            wk = now + k;
            cdgh = DX_SHA256_P_OP(rnds2, DX_SHA256_P_I(cdgh), DX_SHA256_P_I(abef),
                                   DX_SHA256_P_I(wk));
            wk = __builtin_shufflevector(wk, wk, 2, 3, 2, 3);
            abef = DX_SHA256_P_OP(rnds2, DX_SHA256_P_I(abef), DX_SHA256_P_I(cdgh),
                                   DX_SHA256_P_I(wk));
        }
        abef += was[0];
        cdgh += was[1];
    }
    DX_CAS_MEMCPY(in, &abef, 16);
    DX_CAS_MEMCPY(in + 4, &cdgh, 16);
    for (count = 0; count < 8; count++) {
        static const uint8_t from[8] = {3, 2, 7, 6, 1, 0, 5, 4};
        state[count] = in[from[count]];
    }
}
#endif

#ifdef DX_SHA256_P_ARM
static void dx_sha256_p_fast(uint32_t state[8], const uint8_t *p, size_t count)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4), m[4];
    for (; count > 0; count--, p += 64) {
        uint32x4_t was[2] = {abcd, efgh};
        unsigned i;
        for (i = 0; i < 4; i++) m[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * i)));
        DX_SHA256_P_UNROLL for (i = 0; i < 16; i++) {
            uint32x4_t wk = vaddq_u32(m[i & 3], vld1q_u32(dx_sha256_p_k + 4 * i)), old = abcd;
            if (i < 12) {
                m[i & 3] = vsha256su1q_u32(vsha256su0q_u32(m[i & 3], m[(i + 1) & 3]),
                                           m[(i + 2) & 3], m[(i + 3) & 3]);
            }
            abcd = vsha256hq_u32(abcd, efgh, wk);
            efgh = vsha256h2q_u32(efgh, old, wk);
        }
        abcd = vaddq_u32(abcd, was[0]);
        efgh = vaddq_u32(efgh, was[1]);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}
#endif

static void dx_sha256_p_blocks(uint32_t state[8], const uint8_t *p, size_t count)
{
#if defined(DX_SHA256_P_ARM) || (defined(DX_SHA256_P_X86) && defined(__SHA__))
    dx_sha256_p_fast(state, p, count);
#elif defined(DX_SHA256_P_X86)
    if (__builtin_cpu_supports("sha")) dx_sha256_p_fast(state, p, count);
    else dx_sha256_p_plain(state, p, count);
#else
    dx_sha256_p_plain(state, p, count);
#endif
}

DX_CAS_API void dx_sha256_init(dx_sha256 *h)
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    (void)dx_sha256_p_plain;
    DX_CAS_MEMCPY(h->state_, iv, sizeof iv);
    DX_CAS_MEMSET(h->outer_, 0, sizeof h->outer_);
    h->size_ = 0;
    h->kind_ = 0;
}

DX_CAS_API void dx_sha256_init_keyed(dx_sha256 *h, const void *key, size_t key_size)
{
    uint8_t block[64] = {0};
    unsigned i;
    dx_sha256_init(h);
    if (key_size <= 64) {
        if (key_size) DX_CAS_MEMCPY(block, key, key_size);
    } else {
        dx_sha256_update(h, key, key_size);
        dx_sha256_final(h, block, 32);
        dx_sha256_init(h);
    }
    DX_CAS_MEMCPY(h->outer_, h->state_, sizeof h->outer_);
    for (i = 0; i < 64; i++) block[i] ^= 0x5c;
    dx_sha256_p_blocks(h->outer_, block, 1);
    for (i = 0; i < 64; i++) block[i] ^= 0x5c ^ 0x36;
    dx_sha256_update(h, block, sizeof block);
    h->kind_ = 1;
}

DX_CAS_API void dx_sha256_init_derive(dx_sha256 *h, const void *context,
                                          size_t context_size)
{
    dx_sha256_init_keyed(h, context, context_size);
    h->kind_ = 2;
}

DX_CAS_API void dx_sha256_update(dx_sha256 *h, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t fill = (size_t)(h->size_ & 63);
    DX_CAS_ASSERT(h && (data || size == 0));
    h->size_ += size;
    if (fill) {
        size_t take = size < 64 - fill ? size : 64 - fill;
        if (take) DX_CAS_MEMCPY(h->block_ + fill, p, take);
        if (fill + take < 64) return;
        dx_sha256_p_blocks(h->state_, h->block_, 1);
        p += take;
        size -= take;
    }
    if (size >= 64) {
        dx_sha256_p_blocks(h->state_, p, size / 64);
        p += size & ~(size_t)63;
    }
    if (size & 63) DX_CAS_MEMCPY(h->block_, p, size & 63);
}

/* Pad and finish: before bytes are in the state already, and the block holds more. */
static void dx_sha256_p_end(uint32_t state[8], const uint8_t *rest, uint64_t size, uint8_t *out)
{
    uint8_t block[128] = {0};
    size_t fill = (size_t)(size & 63), count = fill < 56 ? 1 : 2, i;
    if (fill) DX_CAS_MEMCPY(block, rest, fill);
    block[fill] = 0x80;
    dx_sha256_p_store(block + 64 * count - 8, (uint32_t)(size >> 29 & 0xffffffffu));
    dx_sha256_p_store(block + 64 * count - 4, (uint32_t)(size << 3 & 0xffffffffu));
    dx_sha256_p_blocks(state, block, count);
    for (i = 0; i < 8; i++) dx_sha256_p_store(out + 4 * i, state[i]);
}

DX_CAS_API void dx_sha256_final(const dx_sha256 *h, void *out, size_t size)
{
    uint32_t state[8];
    uint8_t digest[32];
    unsigned i;
    DX_CAS_ASSERT(h && (out || size == 0) && size <= sizeof digest);
    DX_CAS_MEMCPY(state, h->state_, sizeof state);
    dx_sha256_p_end(state, h->block_, h->size_, digest);
    if (h->kind_) {
        DX_CAS_MEMCPY(state, h->outer_, sizeof state);
        dx_sha256_p_end(state, digest, 64 + sizeof digest, digest);
    }
    for (i = 0; h->kind_ == 2 && i < sizeof digest; i++) digest[i] ^= 0xff;
    if (size) DX_CAS_MEMCPY(out, digest, size);
}

#undef DX_SHA256_P_ROTR
#undef DX_SHA256_P_UNROLL
#endif /* DX_CAS_IMPLEMENTATION */
