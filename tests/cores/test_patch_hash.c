/* dx_patch.h with a hash of the program's own in place of its copy of BLAKE3: the same patches, the same refusals, and nothing is
   hashed elsewhere.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_patch_hash.c -o build/test_patch_hash */
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"

typedef struct counted {
    dx_cas_blake3 blake3;
    uint64_t      size; /* bytes since the start */
} counted;

static uint64_t hashed_size; /* bytes of all messages that were finished */
static bool     spoil;       /* finish with another hash */

static void counted_start(counted *c)
{
    dx_cas_blake3_init(&c->blake3);
    c->size = 0;
}

static void counted_update(counted *c, const uint8_t *p, size_t size)
{
    dx_cas_blake3_update(&c->blake3, p, size);
    c->size += size;
}

static void counted_finish(counted *c, uint8_t *hash)
{
    dx_cas_blake3_final(&c->blake3, hash, 32);
    hashed_size += c->size;
    hash[31] ^= spoil;
}

#define DX_PATCH_HASH counted
#define DX_PATCH_HASH_START(state) counted_start(state)
#define DX_PATCH_HASH_UPDATE(state, p, size) counted_update(state, p, size)
#define DX_PATCH_HASH_FINISH(state, hash) counted_finish(state, hash)
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { SIZE = 100000, MORE = 123 };
static uint8_t base[SIZE], target[SIZE + MORE], out[SIZE + MORE], patch[2 * SIZE], memory[16u << 20];

static size_t make(dx_patch_kind kind, uint64_t seed)
{
    dx_patch_create_desc d;
    size_t size = 0;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    d.memory = memory;
    d.memory_size = sizeof memory;
    for (size_t i = 0; i < sizeof target; i++) target[i] = (uint8_t)dx_test_random(&seed);
    memcpy(base, target, sizeof base);
    for (size_t i = 0; i < SIZE; i += 997) base[i] ^= 1;
    DX_CHECK_EQ(dx_patch_create(&d, base, sizeof base, target, sizeof target, patch, sizeof patch, &size), 0);
    return size;
}

static int apply(size_t patch_size)
{
    size_t size = 0;
    int error = dx_patch_apply(base, sizeof base, patch, patch_size, out, sizeof out, &size, memory, sizeof memory);
    if (!error) DX_CHECK(size == sizeof target && memcmp(out, target, size) == 0);
    return error;
}

DX_TEST(ph_1_patches_name_the_hashes_of_the_hook)
{
    for (int kind = DX_PATCH_KIND_BLOCKS; kind <= DX_PATCH_KIND_DELTA; kind++) {
        dx_patch_header h;
        dx_cas_id id;
        hashed_size = 0;
        size_t size = make((dx_patch_kind)kind, 7);
        DX_CHECK(hashed_size >= sizeof base + sizeof target);
        DX_CHECK_EQ(dx_patch_info(patch, size, &h), 0);
        dx_cas_hash(base, sizeof base, &id);
        DX_CHECK_MEM(h.base_hash, id.bytes, 32);
        dx_cas_hash(target, sizeof target, &id);
        DX_CHECK_MEM(h.target_hash, id.bytes, 32);
    }
}

DX_TEST(ph_2_the_hook_hashes_base_and_target_once_and_refuses_what_differs)
{
    for (int kind = DX_PATCH_KIND_BLOCKS; kind <= DX_PATCH_KIND_DELTA; kind++) {
        size_t size = make((dx_patch_kind)kind, 8);
        hashed_size = 0;
        DX_CHECK_EQ(apply(size), 0);
        DX_CHECK_EQ(hashed_size, sizeof base + sizeof target);
        base[500] ^= 4;
        DX_CHECK_EQ(apply(size), DX_PATCH_EBASE);
        base[500] ^= 4;
        spoil = true;
        DX_CHECK_EQ(apply(size), DX_PATCH_EBASE);
        spoil = false;
        DX_CHECK_EQ(apply(size), 0);
    }
}

DX_TEST(ph_3_dx_patch_hash_is_the_hook)
{
    uint8_t hash[32];
    dx_cas_id id;
    for (size_t size = 0; size < 5000; size += 1 + size / 3) {
        dx_patch_hash(memory, size, hash);
        dx_cas_hash(memory, size, &id);
        DX_CHECK_MEM(hash, id.bytes, 32);
    }
}

/* One slot of flash has a hash of its own, whatever the hook is. */
static int slot_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    uint8_t *slot = (uint8_t *)user;
    if (what == DX_PATCH_FLASH_READ) memcpy(data, slot + offset, size);
    if (what == DX_PATCH_FLASH_WRITE) memcpy(slot + offset, data, size);
    if (what == DX_PATCH_FLASH_ERASE) memset(slot + offset, 255, 4096);
    return 0;
}

DX_TEST(ph_4_flash_patches_work_beside_it)
{
    static uint8_t slot[28 * 4096];
    static dx_patch_flash flash;
    dx_patch_flash_desc d;
    size_t size = make(DX_PATCH_KIND_FLASH, 9);
    memset(&d, 0, sizeof d);
    memset(slot, 255, sizeof slot);
    memcpy(slot, base, sizeof base);
    d.user = slot;
    d.io = slot_io;
    d.patch = patch;
    d.patch_size = size;
    d.slot_size = sizeof slot;
    d.page_size = 4096;
    DX_CHECK_EQ(dx_patch_flash_apply(&flash, &d), 0);
    DX_CHECK_MEM(slot, target, sizeof target);
}
