/*  dx_codec.h - v0.3.0 - zstd and libsodium for COMPRESSED and ENCRYPTED frames of dx_hbtp.h
               - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file, with DX_CODEC_ZSTD, DX_CODEC_SODIUM or both, here and wherever it
    is included:

        #define DX_CODEC_ZSTD                 (zstd.h is included, link with -lzstd)
        #define DX_CODEC_SODIUM               (sodium.h is included, link with -lsodium)
        #define DX_CODEC_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_codec.h"

    and include it elsewhere without the last define. C99; also builds as C++11. It stands on
    dx_hbtp.h, which it includes unless that was included before.

    QUICK EXAMPLE

        #ifdef DX_CODEC_ZSTD
        dx_hbtp_codec codec;                  // for dx_hbtp_session_desc.codec
        dx_codec_zstd zstd;
        memset(&zstd, 0, sizeof zstd);
        zstd.cctx = ZSTD_createCCtx();
        zstd.dctx = ZSTD_createDCtx();
        dx_codec_init_zstd(&codec, &zstd);
        #endif
        #ifdef DX_CODEC_SODIUM
        dx_hbtp_cipher cipher;                // for dx_hbtp_session_desc.cipher
        dx_codec_sodium keys = {{1}, {2}};    // in a program: agreed upon, new for each connection
        dx_codec_init_sodium(&cipher, &keys);
        #endif

    CONTENTS (search >>)  config  errors  zstd  sodium  platform  names  packing  sealing
                          license

    GUARANTEES  No globals; no recursion; allocates nothing besides zstd's contexts. The size in a
                payload is checked before anything is decompressed.
    LIMITS      One dx_codec_sodium per session.
    SIZE        code: x86-64 1,084; objects: dx_codec_zstd 40, dx_codec_sodium 64
    THREADS     One at a time for each object; the sessions of a thread may share a dx_codec_zstd.
    CONFIG      DX_CODEC_STATIC, DX_CODEC_API, DX_CODEC_ASSERT(c), DX_CODEC_MEMSET
    ERRORS      dx_codec_error: results of a dx_hbtp_codec's functions, with dx_hbtp.h's values.
    OWNERSHIP   Contexts, dictionaries and keys are yours and are borrowed by the codec or cipher.
    FORMAT      docs/formats/hbtp.md, section 9, normative
*/
#ifndef DX_CODEC_H
#define DX_CODEC_H

#define DX_CODEC_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_HBTP_H
  #include "../dx_hbtp.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_CODEC_API
  #ifdef DX_CODEC_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_CODEC_API static __attribute__((unused))
    #else
      #define DX_CODEC_API static
    #endif
  #else
    #define DX_CODEC_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
/* Errors of unpacking; the values are those of dx_hbtp_error. */
#define DX_CODEC_ERRORS(X)                                                          \
    X(0, OK)                                                                        \
    X(-4, ETOOBIG)  /* its size does not fit; detected before unpacking */          \
    X(-5, ECORRUPT) /* not one zstd frame with its size, or damaged */              \
    X(-8, ENOTSUP)  /* it needs a dictionary that is missing */

typedef enum dx_codec_error {
#define DX_CODEC_P_ERROR_IS(value, constant) DX_CODEC_##constant = value,
    DX_CODEC_ERRORS(DX_CODEC_P_ERROR_IS)
} dx_codec_error;

/* "DX_CODEC_ENOTSUP" and so on; "unknown error" for anything else. */
DX_CODEC_API const char *dx_codec_error_name(int error);

/* >>zstd --------------------------------------------------------------- */
#ifdef DX_CODEC_ZSTD
typedef struct dx_codec_zstd { /* zstd contexts, created and freed by you; one thread at a time */
    void *cctx;                /* ZSTD_CCtx */
    void *dctx;                /* ZSTD_DCtx */
    void *cdict;               /* ZSTD_CDict; NULL: no dictionary */
    void *ddict;               /* ZSTD_DDict; NULL: no dictionary */
    int   level;               /* without a dictionary; 0: zstd's default */
} dx_codec_zstd;

/* Fill in a codec for a session, or for dx_hbtp_write_packed(). It borrows *zstd. */
DX_CODEC_API void dx_codec_init_zstd(dx_hbtp_codec *codec, dx_codec_zstd *zstd);
#endif

/* >>sodium ------------------------------------------------------------- */
#ifdef DX_CODEC_SODIUM
typedef struct dx_codec_sodium { /* XChaCha20-Poly1305; new keys for each session */
    uint8_t send_key[32];
    uint8_t receive_key[32];
} dx_codec_sodium;

/* Fill in a cipher for one session, which begins to count frames at 0. It borrows *keys. */
DX_CODEC_API void dx_codec_init_sodium(dx_hbtp_cipher *cipher, dx_codec_sodium *keys);
#endif

#ifdef __cplusplus
}
#endif
#endif /* DX_CODEC_H */

#if (defined(DX_CODEC_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CODEC_IMPLEMENTED)
#define DX_CODEC_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_CODEC_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CODEC_ASSERT(c) assert(c)
  #else
    #define DX_CODEC_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CODEC_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_CODEC_P_MEM(name) name
#endif
#ifndef DX_CODEC_MEMSET
  #define DX_CODEC_MEMSET DX_CODEC_P_MEM(memset)
#endif

#ifdef DX_CODEC_ZSTD
  #include <zstd.h>
#endif
#ifdef DX_CODEC_SODIUM
  #include <sodium.h>
#endif

/* >>names -------------------------------------------------------------- */
#define DX_CODEC_P_ERROR_NAME(value, constant) \
    case value: return "DX_CODEC_" #constant;

DX_CODEC_API const char *dx_codec_error_name(int error)
{
    switch (error) {
        DX_CODEC_ERRORS(DX_CODEC_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>packing -------------------------------------------------------------
   A COMPRESSED payload is exactly one zstd frame with its decompressed size:

       | magic | header: content size, dictionary id | blocks ... |
       ^ payload                                       its end    ^

   zstd itself accepts more: several frames, frames of unknown size, skippable frames. All of these
   are refused, so that a payload has one meaning and one size limit. */
#ifdef DX_CODEC_ZSTD
static size_t dx_codec_p_zstd_pack(void *user, const void *in, size_t size, void *out,
                                   size_t capacity)
{
    const dx_codec_zstd *z = (const dx_codec_zstd *)user;
    ZSTD_CCtx *cctx = (ZSTD_CCtx *)z->cctx;
    const ZSTD_CDict *cdict = (const ZSTD_CDict *)z->cdict;
    size_t n;
    DX_CODEC_ASSERT(cctx);
    if (cdict) n = ZSTD_compress_usingCDict(cctx, out, capacity, in, size, cdict);
    else n = ZSTD_compressCCtx(cctx, out, capacity, in, size, z->level);
    return ZSTD_isError(n) ? 0 : n; /* usually: the result would not be smaller */
}

/* Check everything in a frame's header before unpacking. *content_size: its decompressed size. */
static int dx_codec_p_zstd_check(const dx_codec_zstd *z, const void *in, size_t size,
                                 size_t capacity, size_t *content_size)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    const unsigned long long stated = ZSTD_getFrameContentSize(in, size);
    const unsigned dictionary = ZSTD_getDictID_fromFrame(in, size);
    const ZSTD_DDict *ddict = (const ZSTD_DDict *)z->ddict;
    const uint8_t *p = (const uint8_t *)in;
    if (size < 4 || p[0] != magic[0] || p[1] != magic[1] || p[2] != magic[2] || p[3] != magic[3])
        return DX_CODEC_ECORRUPT; /* zstd treats a skippable frame as an empty one */
    if (stated == ZSTD_CONTENTSIZE_ERROR || stated == ZSTD_CONTENTSIZE_UNKNOWN)
        return DX_CODEC_ECORRUPT;
    if (stated > capacity) return DX_CODEC_ETOOBIG;
    if (dictionary && (!ddict || dictionary != ZSTD_getDictID_fromDDict(ddict)))
        return DX_CODEC_ENOTSUP;
    if (ZSTD_findFrameCompressedSize(in, size) != size) return DX_CODEC_ECORRUPT;
    *content_size = (size_t)stated;
    return DX_CODEC_OK;
}

static int64_t dx_codec_p_zstd_unpack(void *user, const void *in, size_t size, void *out,
                                      size_t capacity)
{
    const dx_codec_zstd *z = (const dx_codec_zstd *)user;
    const ZSTD_DDict *ddict = (const ZSTD_DDict *)z->ddict;
    ZSTD_DCtx *dctx = (ZSTD_DCtx *)z->dctx;
    size_t content_size = 0;
    size_t n;
    const int error = dx_codec_p_zstd_check(z, in, size, capacity, &content_size);
    if (error) return error;
    DX_CODEC_ASSERT(dctx && content_size <= capacity);
    if (ddict) n = ZSTD_decompress_usingDDict(dctx, out, content_size, in, size, ddict);
    else n = ZSTD_decompressDCtx(dctx, out, content_size, in, size);
    if (ZSTD_isError(n) || n != content_size) return DX_CODEC_ECORRUPT;
    return (int64_t)n;
}

DX_CODEC_API void dx_codec_init_zstd(dx_hbtp_codec *codec, dx_codec_zstd *zstd)
{
    DX_CODEC_ASSERT(codec && zstd);
    codec->pack = dx_codec_p_zstd_pack;
    codec->unpack = dx_codec_p_zstd_unpack;
    codec->user = zstd;
}
#endif

/* >>sealing -------------------------------------------------------------
   The nonce is never sent: both sides count the frames of each direction, so a frame that is
   replayed, omitted or out of order fails to decrypt.

       0                                 16                24
       | 0 . . . . . . . . . . . . . . . | number, u64     | */
#ifdef DX_CODEC_SODIUM
enum {
    DX_CODEC_P_NONCE_SIZE = 24,
    DX_CODEC_P_NUMBER_AT  = 16
};

static void dx_codec_p_make_nonce(uint8_t nonce[DX_CODEC_P_NONCE_SIZE], uint64_t number)
{
    unsigned i;
    DX_CODEC_MEMSET(nonce, 0, DX_CODEC_P_NONCE_SIZE);
    for (i = 0; i < 8; i++) nonce[DX_CODEC_P_NUMBER_AT + i] = (uint8_t)(number >> 8 * i & 0xff);
}

static int dx_codec_p_sodium_seal(void *user, uint64_t counter, const uint8_t header[8],
                                  uint8_t *data, size_t size)
{
    const dx_codec_sodium *keys = (const dx_codec_sodium *)user;
    uint8_t nonce[DX_CODEC_P_NONCE_SIZE];
    dx_codec_p_make_nonce(nonce, counter);
    return crypto_aead_xchacha20poly1305_ietf_encrypt(data, NULL, data, size, header,
                                                      DX_HBTP_HEADER_SIZE, NULL, nonce,
                                                      keys->send_key);
}

static int dx_codec_p_sodium_open(void *user, uint64_t counter, const uint8_t header[8],
                                  const uint8_t *data, size_t size, uint8_t *plain)
{
    const dx_codec_sodium *keys = (const dx_codec_sodium *)user;
    uint8_t nonce[DX_CODEC_P_NONCE_SIZE];
    dx_codec_p_make_nonce(nonce, counter);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, data, size, header,
                                                      DX_HBTP_HEADER_SIZE, nonce,
                                                      keys->receive_key);
}

DX_CODEC_API void dx_codec_init_sodium(dx_hbtp_cipher *cipher, dx_codec_sodium *keys)
{
    DX_CODEC_ASSERT(cipher && keys);
    DX_CODEC_MEMSET(cipher, 0, sizeof *cipher);
    cipher->seal = dx_codec_p_sodium_seal;
    cipher->open = dx_codec_p_sodium_open;
    cipher->user = keys;
}
#endif

#endif /* DX_CODEC_IMPLEMENTATION */

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
