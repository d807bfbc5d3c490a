/* dx_patch.h included after dx_cas.h: it hashes with the vectors of dx_cas.h, to the same result as
   without.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_patch_blake3.c -o build/test_patch_blake3 */
#define DX_CAS_STATIC
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#ifndef DX_PATCH_BLAKE3
#error "dx_patch.h does not use the hash of dx_cas.h"
#endif

static uint8_t data[(3u << 20) + 5000];

static void fill(void)
{
    uint64_t seed = 37;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)dx_test_random(&seed);
}

/* Does the patch's hash of a message, fed in pieces, equal that of dx_cas.h? pieces NULL: all at once. */
static bool is_same(size_t size, uint64_t *pieces, size_t most)
{
    dx_patch_p_blake3 h;
    uint8_t hash[32];
    dx_cas_id id;
    size_t at = 0;
    dx_patch_p_hash_start(&h);
    while (at < size) {
        size_t part = pieces ? 1 + (size_t)(dx_test_random(pieces) % most) : size;
        if (part > size - at) part = size - at;
        dx_patch_p_hash_update(&h, data + at, part);
        at += part;
    }
    dx_patch_p_hash_finish(&h, hash);
    dx_cas_hash(data, size, &id);
    return memcmp(hash, id.bytes, 32) == 0;
}

DX_TEST(pb_1_sizes_around_each_power_of_two)
{
    fill();
    DX_CHECK(is_same(0, NULL, 0));
    for (size_t power = 1; power <= 2u << 20; power *= 2) {
        for (size_t near = power < 3 ? 0 : power - 3; near <= power + 3; near++) DX_CHECK(is_same(near, NULL, 0));
        DX_CHECK(is_same(power + 1024, NULL, 0));
        DX_CHECK(is_same(power + power / 2, NULL, 0));
    }
    DX_CHECK(is_same(sizeof data, NULL, 0));
}

DX_TEST(pb_2_pieces_of_any_size)
{
    uint64_t seed = 7;
    fill();
    for (int run = 0; run < 60; run++) {
        const size_t size = (size_t)(dx_test_random(&seed) % sizeof data);
        const size_t most = (size_t)1 << (3 + dx_test_random(&seed) % 19);
        DX_CHECK(is_same(most < 4096 ? size % 200000 : size, &seed, most));
    }
}

/* Whole patches: the hash from the hook is in the header, and the hash it verifies is the target's. */
DX_TEST(pb_3_a_patch_has_the_hashes_of_both)
{
    static uint8_t target[200000], patch[400000], out[sizeof target], memory[16u << 20];
    dx_patch_create_desc desc;
    dx_patch_header header;
    dx_cas_id base_id, target_id;
    size_t patch_size = 0, size = 0;
    fill();
    memcpy(target, data + 5000, sizeof target);
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_patch_create(&desc, data, 250000, target, sizeof target, patch, sizeof patch, &patch_size), DX_PATCH_OK);
    DX_CHECK_EQ(dx_patch_info(patch, patch_size, &header), DX_PATCH_OK);
    dx_cas_hash(data, 250000, &base_id);
    dx_cas_hash(target, sizeof target, &target_id);
    DX_CHECK(memcmp(header.base_hash, base_id.bytes, 32) == 0 && memcmp(header.target_hash, target_id.bytes, 32) == 0);
    DX_CHECK_EQ(dx_patch_apply(data, 250000, patch, patch_size, out, sizeof out, &size, memory, sizeof memory), DX_PATCH_OK);
    DX_CHECK(size == sizeof target && memcmp(out, target, size) == 0);
    data[77777] ^= 1; /* another base: its hash differs */
    DX_CHECK(dx_patch_apply(data, 250000, patch, patch_size, out, sizeof out, &size, memory, sizeof memory) != DX_PATCH_OK);
}
