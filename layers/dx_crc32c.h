/* dx_crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4) with the processor's instructions, for DX_HBTP_CRC32C

   Before dx_hbtp.h in the file that implements it:

       #include "dx_crc32c.h"
       #define DX_HBTP_CRC32C crc32c

   The header's own takes eight instructions a byte and 64 bytes of table (some 200 MB/s); this one moves GB/s with SSE 4.2 (asked for at
   run time), three instructions for 8 bytes with those of ARMv8 (asked for by the compiler's flags), else the same nibbles. */
#ifndef CRC32C_H
#define CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
/* a * x^(8 * size) mod P for the sizes of crc32c_sse42(). */
static uint32_t crc32c_shift(uint32_t a, uint64_t crc)
{
    uint32_t b = (uint32_t)crc, product = 0;
    for (; a; a <<= 1, b = b >> 1 ^ (b & 1 ? 0x82f63b78u : 0)) product ^= a >> 31 ? b : 0;
    return product;
}

/* The instruction takes three cycles and one can begin in each: so three strides at a time. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p,
                                                               size_t size)
{
    enum { STRIDE = 5456 }; /* 16 * 3 * 5456 is just under 256 KiB */
    uint64_t a = ~crc, b, c, word[3];
    for (; size >= 3u * STRIDE; size -= 3u * STRIDE, p += 3u * STRIDE) {
        b = c = 0;
        for (size_t i = 0; i < STRIDE; i += 8) {
            memcpy(&word[0], p + i, 8);
            memcpy(&word[1], p + i + STRIDE, 8);
            memcpy(&word[2], p + i + 2u * STRIDE, 8);
            a = __builtin_ia32_crc32di(a, word[0]);
            b = __builtin_ia32_crc32di(b, word[1]);
            c = __builtin_ia32_crc32di(c, word[2]);
        }
        a = crc32c_shift(0xf6df4ba3u, a) ^ crc32c_shift(0x6b3085d6u, b) ^ c;
    }
    for (; size >= 8; size -= 8, p += 8) {
        memcpy(&word[0], p, 8);
        a = __builtin_ia32_crc32di(a, word[0]);
    }
    for (; size; size--) a = __builtin_ia32_crc32qi((uint32_t)a, *p++);
    return ~(uint32_t)a;
}
#endif

static uint32_t crc32c_nibbles(uint32_t crc, const uint8_t *p, size_t size)
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

/* Start with crc = 0; feed pieces in order. */
static uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(crc, p, size);
#elif defined(__ARM_FEATURE_CRC32) && defined(__aarch64__) && !defined(__AARCH64EB__)
    uint64_t word;
    for (crc = ~crc; size >= 8; size -= 8, p += 8) {
        memcpy(&word, p, 8);
        crc = __builtin_aarch64_crc32cx(crc, word);
    }
    crc = ~crc;
#endif
    return crc32c_nibbles(crc, p, size);
}

#endif /* CRC32C_H */
