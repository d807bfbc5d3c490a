/* dx_hde.h included after dx_cas.h: it hashes pages with the vectors of dx_cas.h, and records contain the same
   hashes as without.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/layers/test_hde_blake3.c -o build/test_hde_blake3 */
#define DX_CAS_STATIC
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_HDE_IMPLEMENTATION
#include "../../layers/dx_hde.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#ifndef DX_HDE_BLAKE3
#error "dx_hde.h does not use the hash of dx_cas.h"
#endif

static uint8_t state[300000];

/* Records of a state of this size, whole and as a delta: each contains the hash that dx_cas.h computes. */
static void check_size(dx_hde *h, uint64_t key, size_t size)
{
    static uint8_t record[sizeof state + 4096], out[sizeof state];
    for (int turn = 0; turn < 2; turn++) {
        size_t record_size = 0, got = 0;
        uint8_t hash[32];
        dx_cas_id id;
        DX_CHECK_EQ(dx_hde_encode(h, key, (uint64_t)turn * 33, state, size, record, sizeof record, &record_size), 0);
        dx_cas_hash(state, size, &id);
        dx_hde_p_hash(h, NULL, state, (uint32_t)size, hash);
        DX_CHECK_MEM(hash, id.bytes, 32);
        DX_CHECK_EQ(dx_hde_decode(h, key + 1, 0, record, record_size, out, sizeof out, &got), DX_HDE_OK);
        DX_CHECK_EQ(got, size);
        DX_CHECK_MEM(out, state, size);
        if (size) state[size / 2] ^= 1;
    }
}

DX_TEST(hb_1_sizes_around_pages_and_groups)
{
    static const size_t near[] = {0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 65535, 65536, 65537, 69632, 131072, 131073, 299999};
    uint64_t seed = 41;
    dx_hde h;
    dx_hde_desc desc;
    for (size_t i = 0; i < sizeof state; i++) state[i] = (uint8_t)dx_test_random(&seed);
    memset(&desc, 0, sizeof desc);
    desc.state_max = sizeof state;
    desc.memory_size = dx_hde_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    DX_CHECK_EQ(dx_hde_init(&h, &desc), 0);
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) check_size(&h, 100 * (i + 1), near[i]);
    free(desc.memory);
}
