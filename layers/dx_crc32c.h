/*  dx_crc32c.h - v0.3.0 - CRC-32C (Castagnoli) with the processor's instructions
                - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_CRC32C_IMPLEMENTATION      (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_crc32c.h"

    and include it elsewhere without the define. C99; also builds as C++11. No other header is
    needed. dx_hbtp.h and dx_bulk.h use it if the file with their implementation defines this first:

        #define DX_HBTP_CRC32C dx_crc32c_update
        #include "dx_hbtp.h"

    QUICK EXAMPLE

        uint32_t crc = dx_crc32c_update(0, "123456789", 9);
        if (crc != 0xe3069283u) return 1;
        if (dx_crc32c_update(dx_crc32c_update(0, "1234", 4), "56789", 5) != crc) return 1;
        printf("%08x by %s\n", (unsigned)crc, dx_crc32c_method());

    CONTENTS (search >>)  config  checksum  platform  shared  x86  arm  choice  license

    GUARANTEES  The same result on every processor. No allocation, globals or recursion.
    LIMITS      None.
    SIZE        code: x86-64 509, Cortex-M0 133
    THREADS     Any number: the functions share nothing.
    CONFIG      DX_CRC32C_STATIC, DX_CRC32C_API, DX_CRC32C_ASSERT(c), DX_CRC32C_MEMCPY;
                DX_CRC32C_PORTABLE: no special instructions
    ERRORS      No call fails, so there is no list of errors.
    OWNERSHIP   The input is used during the call only.
    FORMAT      RFC 3720, appendix B.4
*/
#ifndef DX_CRC32C_H
#define DX_CRC32C_H

#define DX_CRC32C_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_CRC32C_API
  #ifdef DX_CRC32C_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_CRC32C_API static __attribute__((unused))
    #else
      #define DX_CRC32C_API static
    #endif
  #else
    #define DX_CRC32C_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>checksum ----------------------------------------------------------- */
/* Start with crc 0; feed pieces in order, each with the result of the one before. data may be NULL
   when size is 0. GB/s with SSE 4.2 (detected at run time) and with ARMv8's instructions (if the
   target has them), about 200 MB/s without. */
DX_CRC32C_API uint32_t    dx_crc32c_update(uint32_t crc, const void *data, size_t size);
/* "sse4.2", "armv8" or "portable". */
DX_CRC32C_API const char *dx_crc32c_method(void);

#ifdef __cplusplus
}
#endif
#endif /* DX_CRC32C_H */

#if (defined(DX_CRC32C_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CRC32C_IMPLEMENTED)
#define DX_CRC32C_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_CRC32C_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CRC32C_ASSERT(c) assert(c)
  #else
    #define DX_CRC32C_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CRC32C_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_CRC32C_P_MEM(name) name
#endif
#ifndef DX_CRC32C_MEMCPY
  #define DX_CRC32C_MEMCPY DX_CRC32C_P_MEM(memcpy)
#endif

#if !defined(DX_CRC32C_PORTABLE) && defined(__x86_64__) && defined(__GNUC__)
  #define DX_CRC32C_P_X86 1
#else
  #define DX_CRC32C_P_X86 0
#endif
#if !defined(DX_CRC32C_PORTABLE) && defined(__ARM_FEATURE_CRC32) && defined(__aarch64__) && \
    !defined(__AARCH64EB__)
  #define DX_CRC32C_P_ARM 1
#else
  #define DX_CRC32C_P_ARM 0
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
/* CRC-32C (RFC 3720 appendix B.4), a nibble at a time: the table takes only 64 bytes. */
static uint32_t dx_crc32c_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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

/* >>x86 -----------------------------------------------------------------
   The instruction takes three cycles, and one can start in each: so three strides at a time, whose
   results are combined. A checksum is a remainder of polynomials, and appending n bytes to a
   message multiplies its remainder by x^(8n), so

       | stride a | stride b | stride c |      crc = a * x^(16 stride) ^ b * x^(8 stride) ^ c

   modulo the polynomial, where a power of x is one constant for each stride. */
#if DX_CRC32C_P_X86
enum { DX_CRC32C_P_STRIDE = 5456 }; /* three of them, sixteen times, are just under 256 KiB */

#define DX_CRC32C_P_SHIFT_2 0xf6df4ba3u /* x^(16 * 5456), bits reversed */
#define DX_CRC32C_P_SHIFT_1 0x6b3085d6u /* x^(8 * 5456) */

/* a * crc modulo the polynomial, both bit-reversed. */
static uint32_t dx_crc32c_p_multiply(uint32_t a, uint64_t crc)
{
    uint32_t b = (uint32_t)crc;
    uint32_t product = 0;
    DX_CRC32C_ASSERT(crc <= UINT32_MAX);
    for (; a; a <<= 1) {
        if (a >> 31) product ^= b;
        b = b >> 1 ^ (b & 1 ? 0x82f63b78u : 0);
    }
    return product;
}

__attribute__((target("sse4.2"))) static uint64_t dx_crc32c_p_sse42_word(uint64_t crc,
                                                                         const uint8_t *p)
{
    uint64_t word;
    DX_CRC32C_MEMCPY(&word, p, 8);
    return __builtin_ia32_crc32di(crc, word);
}

__attribute__((target("sse4.2"))) static uint32_t dx_crc32c_p_sse42(uint32_t crc, const uint8_t *p,
                                                                    size_t size)
{
    const size_t stride = DX_CRC32C_P_STRIDE;
    uint64_t a = (uint32_t)~crc;
    for (; size >= 3 * stride; size -= 3 * stride, p += 3 * stride) {
        uint64_t b = 0;
        uint64_t c = 0;
        size_t i;
        for (i = 0; i < stride; i += 8) {
            a = dx_crc32c_p_sse42_word(a, p + i);
            b = dx_crc32c_p_sse42_word(b, p + i + stride);
            c = dx_crc32c_p_sse42_word(c, p + i + 2 * stride);
        }
        a = dx_crc32c_p_multiply(DX_CRC32C_P_SHIFT_2, a) ^
            dx_crc32c_p_multiply(DX_CRC32C_P_SHIFT_1, b) ^ c;
    }
    for (; size >= 8; size -= 8, p += 8) a = dx_crc32c_p_sse42_word(a, p);
    for (; size; size--) a = __builtin_ia32_crc32qi((uint32_t)a, *p++);
    DX_CRC32C_ASSERT(a <= UINT32_MAX);
    return ~(uint32_t)a;
}
#endif

/* >>arm ---------------------------------------------------------------- */
#if DX_CRC32C_P_ARM
static uint32_t dx_crc32c_p_armv8(uint32_t crc, const uint8_t *p, size_t size)
{
    uint64_t word;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        DX_CRC32C_MEMCPY(&word, p, 8);
        crc = __builtin_aarch64_crc32cx(crc, word);
    }
    return dx_crc32c_p_crc32c(~crc, p, size); /* at most seven bytes */
}
#endif

/* >>choice ------------------------------------------------------------- */
DX_CRC32C_API uint32_t dx_crc32c_update(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *const p = (const uint8_t *)data;
    DX_CRC32C_ASSERT(data || !size);
#if DX_CRC32C_P_X86
    if (__builtin_cpu_supports("sse4.2")) return dx_crc32c_p_sse42(crc, p, size);
#elif DX_CRC32C_P_ARM
    return dx_crc32c_p_armv8(crc, p, size);
#endif
#if !DX_CRC32C_P_ARM
    return dx_crc32c_p_crc32c(crc, p, size);
#endif
}

DX_CRC32C_API const char *dx_crc32c_method(void)
{
#if DX_CRC32C_P_X86
    if (__builtin_cpu_supports("sse4.2")) return "sse4.2";
#elif DX_CRC32C_P_ARM
    return "armv8";
#endif
#if !DX_CRC32C_P_ARM
    return "portable";
#endif
}

#endif /* DX_CRC32C_IMPLEMENTATION */

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
