/* Bases and targets for tests of patch makers: six sorts of files that differ as such files do. The bytes are the same on every
   machine and in every version. Include after dx_patch.h and dx_test.h. */
#ifndef PATCH_PAIRS_H
#define PATCH_PAIRS_H

enum { SORT_NUMBERS, SORT_CALLS, SORT_PIECES, SORT_EDITS, SORT_TEXT, SORT_TABLE, SORTS };

/* Not dx_test_random(): patches of earlier versions in test_patch_more.c were made from this generator's output. */
static inline uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

/* A base and a target of `size` bytes, a multiple of 4096, that differ as files of that sort do. */
static inline void fill_pair(int sort, uint8_t *from, uint8_t *to, size_t size)
{
    uint64_t seed = 1 + (uint64_t)sort;
    for (size_t i = 0; i < size; i++) from[i] = (uint8_t)(next_random(&seed) >> 40);
    if (sort == SORT_TEXT)
        for (size_t i = 0; i < size; i++) from[i] = (uint8_t)("etaoin shrdlu"[next_random(&seed) * 3 % 13]);
    if (sort == SORT_CALLS || sort == SORT_TABLE) /* pointers into the file, half of which move */
        for (size_t i = 16; i + 16 <= size; i += 16) {
            const uint32_t there = (uint32_t)(next_random(&seed) % size) & ~UINT32_C(15);
            from[i] = 0xe8;
            dx_patch_p_store32(from + i + 1, sort == SORT_TABLE ? 0x400000 + there : there - (uint32_t)(i + 5));
        }
    memcpy(to, from, size);
    if (sort == SORT_NUMBERS) /* every word slightly larger, in half of the pages */
        for (size_t i = 0; i < size; i += 4)
            if (i >> 11 & 1) dx_patch_p_store32(to + i, dx_patch_p_load32(to + i) + 1 + (uint32_t)(i & 12));
    if (sort == SORT_CALLS) { /* the same calls; from the middle on, their targets move by 1024 bytes */
        memmove(to + size / 2 + 1024, from + size / 2, size / 2 - 1024);
        for (size_t i = 16; i + 16 <= size - 1024; i += 16) {
            const uint32_t there = dx_patch_p_load32(from + i + 1) + (uint32_t)(i + 5);
            const size_t at = i < size / 2 ? i : i + 1024;
            const uint32_t now = there < size / 2 ? there : there + 1024;
            to[at] = 0xe8;
            dx_patch_p_store32(to + at + 1, now - (uint32_t)(at + 5));
        }
    }
    if (sort == SORT_PIECES)
        for (size_t i = 0; i < size / 512; i++) memcpy(to + 512 * i, from + 512 * (i * 37 % (size / 512)), 512);
    if (sort == SORT_EDITS || sort == SORT_TEXT || sort == SORT_TABLE)
        for (size_t i = 100; i + 20 < size; i += 300) {
            const uint64_t r = next_random(&seed);
            if (r % 3 == 0) to[i] = (uint8_t)(r >> 8);
            else if (r % 3 == 1) memmove(to + i, to + i + 3, size - i - 3);
            else memmove(to + i + 5, to + i, size - i - 5);
        }
}

#endif
