/* HalfSipHash as its authors wrote it: a model for the keyed hash of dx_hbtp.h and dx_middleware.h. */
#ifndef DX_HALF_SIPHASH_H
#define DX_HALF_SIPHASH_H

#include "dx_test.h"

static uint32_t rotate_left(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

static void sip_rounds(uint32_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[1] = rotate_left(v[1], 5) ^ v[0];
        v[0] = rotate_left(v[0], 16);
        v[2] += v[3];
        v[3] = rotate_left(v[3], 8) ^ v[2];
        v[0] += v[3];
        v[3] = rotate_left(v[3], 7) ^ v[0];
        v[2] += v[1];
        v[1] = rotate_left(v[1], 13) ^ v[2];
        v[2] = rotate_left(v[2], 16);
    }
}

/* Any bytes, any numbers of rounds: per word and at the end. */
static uint32_t half_siphash(uint64_t seed, const uint8_t *bytes, size_t size, int rounds_word, int rounds_end)
{
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t v[4] = {k0, k1, 0x6c796765 ^ k0, 0x74656462 ^ k1};
    for (size_t at = 0; at <= size; at += 4) {
        uint32_t word = size - at < 4 ? (uint32_t)size << 24 : 0;
        for (size_t i = 0; i < 4 && at + i < size; i++) word |= (uint32_t)bytes[at + i] << 8 * i;
        v[3] ^= word;
        sip_rounds(v, rounds_word);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_rounds(v, rounds_end);
    return v[1] ^ v[3];
}

/* The header's hash of a key is HalfSipHash-1-3 of its eight bytes, little-endian. */
static void check_half_siphash_1_3(uint32_t (*keyed_hash)(uint64_t seed, uint64_t key))
{
    /* the first ten of the authors' vectors for 2-4: key 0, 1, .. 7, message 0, 1, .. */
    static const uint32_t published[10] = {0x5b9f35a9, 0xb85a4727, 0x03a662fa, 0x04e7fe8a, 0x89466e2a,
                                           0x69b6fac5, 0x23fc6358, 0xc563cf8b, 0x8f84b8d0, 0x79e706f8};
    uint8_t bytes[10];
    uint64_t seed = 0x0706050403020100u, state = 5;
    for (size_t i = 0; i < 10; i++) bytes[i] = (uint8_t)i;
    for (size_t size = 0; size < 10; size++) DX_CHECK_EQ(half_siphash(seed, bytes, size, 2, 4), published[size]);
    for (int i = 0; i < 1000; i++) {
        const uint64_t key = dx_test_random(&state);
        for (size_t k = 0; k < 8; k++) bytes[k] = (uint8_t)(key >> 8 * k);
        DX_CHECK_EQ(keyed_hash(seed, key), half_siphash(seed, bytes, 8, 1, 3));
        seed = dx_test_random(&state);
    }
}

#endif
