/* Tests of the hashes of dx_cas.h: every vector width against a reference of a few lines, many messages at once, parts of a
   message. tests/checks/lanes.sh builds this once per width.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_cas_hash.c -o build/test_cas_hash -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

static uint8_t data[300000];

static void fill(uint8_t *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)dx_test_random(&seed);
}

/* >>blake3 ------------------------------------------------------------- */
/* The tree as the specification defines it: a subtree of more than one chunk has on its left the largest power of two of chunks
   that leaves at least one byte on its right. Compression uses the portable code, one block at a time. */
static void reference(const uint32_t key[8], uint32_t mode, const uint8_t *p, size_t size, uint64_t chunk, bool root,
                      uint32_t out[16])
{
    uint8_t block[64] = {0};
    uint32_t last = root ? DX_CAS_P_B3_ROOT : 0;
    if (size > 1024) {
        uint32_t left[16], right[16];
        size_t half = 1024;
        while (half * 2 < size) half *= 2;
        reference(key, mode, p, half, chunk, false, left);
        reference(key, mode, p + half, size - half, chunk + half / 1024, false, right);
        for (unsigned i = 0; i < 8; i++) {
            dx_cas_p_store32(block + 4 * i, left[i]);
            dx_cas_p_store32(block + 32 + 4 * i, right[i]);
        }
        dx_cas_p_blake3_compress(out, key, block, 64, 0, mode | DX_CAS_P_B3_PARENT | last);
        return;
    }
    uint32_t cv[8], start = DX_CAS_P_B3_CHUNK_START;
    memcpy(cv, key, sizeof cv);
    for (; size > 64; p += 64, size -= 64, start = 0) {
        dx_cas_p_blake3_compress(out, cv, p, 64, chunk, mode | start);
        memcpy(cv, out, sizeof cv);
    }
    if (size) memcpy(block, p, size);
    dx_cas_p_blake3_compress(out, cv, block, (uint32_t)size, chunk, mode | start | DX_CAS_P_B3_CHUNK_END | last);
}

static void reference_hash(const uint8_t *p, size_t size, dx_cas_id *id)
{
    uint32_t key[8], out[16];
    dx_cas_p_blake3_iv(key);
    reference(key, 0, p, size, 0, true, out);
    for (unsigned i = 0; i < 8; i++) dx_cas_p_store32(id->bytes + 4 * i, out[i]);
}

DX_TEST(ca_2_blake3_is_that_of_the_reference_at_every_size)
{
    dx_cas_id is, want;
    fill(data, sizeof data, 1);
    for (size_t size = 0; size < 140000; size += size < 5000 ? 1 + size / 300 : 509) {
        dx_cas_hash(data + size % 7, size, &is);
        reference_hash(data + size % 7, size, &want);
        DX_CHECK_MEM(&is, &want, 32);
    }
    for (size_t chunks = 1; chunks <= 260; chunks++) {
        for (size_t extra = 0; extra < 3; extra++) {
            dx_cas_hash(data, chunks * 1024 - 1 + extra, &is);
            reference_hash(data, chunks * 1024 - 1 + extra, &want);
            DX_CHECK_MEM(&is, &want, 32);
        }
    }
}

DX_PROPERTY(ca_2_blake3_every_split_of_large_messages, 150)
{
    size_t size = (size_t)dx_choose(c, sizeof data), done = 0;
    uint8_t key[32];
    dx_cas_blake3 h;
    dx_cas_id want;
    uint32_t words[8], out[16];
    uint8_t is[32];
    bool keyed = dx_choose(c, 1) != 0;
    fill(key, sizeof key, size);
    dx_cas_blake3_init(&h);
    if (keyed) dx_cas_blake3_init_keyed(&h, key);
    while (done < size) {
        size_t n = (size_t)dx_choose_range(c, 1, size - done < 100000 ? size - done : 100000);
        if (dx_choose(c, 2) == 0) n = n > 1024 ? n / 1024 * 1024 : n;
        dx_cas_blake3_update(&h, data + done, n);
        done += n;
        if (dx_choose(c, 3) == 0) dx_cas_blake3_final(&h, is, 32); /* reading the hash early changes nothing */
    }
    dx_cas_blake3_final(&h, is, 32);
    reference_hash(data, size, &want);
    if (keyed) {
        for (unsigned i = 0; i < 8; i++) words[i] = dx_cas_p_load32(key + 4 * i);
        reference(words, DX_CAS_P_B3_KEYED, data, size, 0, true, out);
        for (unsigned i = 0; i < 8; i++) dx_cas_p_store32(want.bytes + 4 * i, out[i]);
    }
    DX_CHECK_MEM(is, &want, 32);
}

/* Chunks of one call are merged with those of earlier calls, wherever those ended, and the last of them may be the root. */
DX_TEST(ca_2_calls_of_whole_chunks_at_every_place)
{
    static const size_t chunks[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33, 64, 127, 128, 129, 131, 200};
    for (size_t first = 0; first < 18; first++) {
        for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
            size_t size = (first + chunks[i]) * 1024;
            for (size_t tail = 0; tail < 2; tail++) {
                dx_cas_blake3 h;
                dx_cas_id is, want;
                dx_cas_blake3_init(&h);
                dx_cas_blake3_update(&h, data, first * 1024);
                dx_cas_blake3_update(&h, data + first * 1024, chunks[i] * 1024);
                dx_cas_blake3_update(&h, data + size, tail);
                dx_cas_blake3_final(&h, is.bytes, 32);
                reference_hash(data, size + tail, &want);
                DX_CHECK_MEM(&is, &want, 32);
            }
        }
    }
}

DX_TEST(ca_2_many_messages_of_every_size)
{
    static const size_t counts[] = {1, 2, 3, 5, 16, 17, 40};
    const void *in[40];
    size_t sizes[40];
    dx_cas_id is[40], want;
    for (size_t size = 0; size < 9500; size += size < 300 ? 1 : 61) {
        size_t count = counts[size % 7];
        for (size_t i = 0; i < count; i++) {
            in[i] = data + 977 * i;
            sizes[i] = size;
        }
        dx_cas_hash_many(in, sizes, count, is);
        for (size_t i = 0; i < count; i++) {
            reference_hash((const uint8_t *)in[i], size, &want);
            DX_CHECK_MEM(&is[i], &want, 32);
        }
    }
}

/* Parallel messages of up to 16 KiB: each number of chunks, with a last chunk of one block, of some and of all. */
DX_TEST(ca_2_many_messages_of_several_chunks)
{
    static const size_t blocks[] = {1, 7, 16};
    const void *in[20];
    size_t sizes[20];
    dx_cas_id is[20], want;
    for (size_t chunks = 1; chunks <= 17; chunks++) {
        for (size_t i = 0; i < 20 * 3; i++) {
            sizes[i % 20] = (chunks - 1) * 1024 + 64 * blocks[i / 20];
            in[i % 20] = data + 1031 * (i % 20);
            if (i % 20 != 19) continue;
            for (size_t count = 1; count <= 20; count += count < 8 ? 1 : 4) {
                dx_cas_hash_many(in, sizes, count, is);
                for (size_t k = 0; k < count; k++) {
                    reference_hash((const uint8_t *)in[k], sizes[k], &want);
                    DX_CHECK_MEM(&is[k], &want, 32);
                }
            }
        }
    }
}

/* Every length, in each way of hashing one message. */
DX_TEST(ca_2_one_message_of_every_length)
{
    for (size_t size = 0; size <= 4097; size++) {
        dx_cas_id is, want;
        dx_cas_blake3 h;
        reference_hash(data + size % 7, size, &want);
        dx_cas_hash(data + size % 7, size, &is);
        DX_CHECK_MEM(&is, &want, 32);
        dx_cas_blake3_init(&h);
        dx_cas_blake3_update(&h, data + size % 7, size / 3);
        dx_cas_blake3_update(&h, data + size % 7 + size / 3, size - size / 3);
        dx_cas_blake3_final(&h, &is, 32);
        DX_CHECK_MEM(&is, &want, 32);
    }
}

DX_PROPERTY(ca_2_many_messages_of_mixed_sizes, 100)
{
    const void *in[60] = {0};
    size_t sizes[60] = {0}, count = (size_t)dx_choose(c, 60);
    dx_cas_id is[60], want;
    for (size_t i = 0; i < count; i++) {
        in[i] = data + dx_choose(c, 100000);
        sizes[i] = i && dx_choose(c, 3) ? sizes[i - 1] : (size_t)dx_choose(c, 20000);
        if (dx_choose(c, 1)) sizes[i] -= sizes[i] % 64; /* whole blocks may go in parallel with messages of the same size only */
    }
    dx_cas_hash_many(in, sizes, count, is);
    for (size_t i = 0; i < count; i++) {
        reference_hash((const uint8_t *)in[i], sizes[i], &want);
        DX_CHECK_MEM(&is[i], &want, 32);
    }
}

/* Parts of equal size (the last may be smaller), merged pair by pair. */
static void from_parts(const dx_cas_blake3 *mode, uint64_t offset, const uint8_t *p, size_t size, size_t most, bool root,
                       uint8_t out[32])
{
    uint8_t pair[64];
    size_t half = 1024;
    if (size <= most && !root) {
        OK(dx_cas_blake3_part(mode, offset, p, size, out));
        return;
    }
    while (half * 2 < size) half *= 2;
    from_parts(mode, offset, p, half, most, false, pair);
    from_parts(mode, offset + half, p + half, size - half, most, false, pair + 32);
    dx_cas_blake3_join(mode, pair, root, out);
}

DX_PROPERTY(ca_2_parts_joined_are_the_whole, 200)
{
    size_t size = (size_t)dx_choose_range(c, 1025, sizeof data), most = (size_t)1024 << dx_choose(c, 9);
    uint8_t key[32], is[32], want[32];
    dx_cas_blake3 mode;
    fill(key, sizeof key, size);
    dx_cas_blake3_init(&mode);
    if (dx_choose(c, 1)) dx_cas_blake3_init_keyed(&mode, key);
    from_parts(&mode, 0, data, size, most, true, is);
    dx_cas_blake3_update(&mode, data, size);
    dx_cas_blake3_final(&mode, want, 32);
    DX_CHECK_MEM(is, want, 32);
}

DX_TEST(ca_2_parts_far_behind_four_gigachunks)
{
    uint64_t chunk = ((uint64_t)1 << 32) - 8, offset = chunk * 1024;
    uint8_t is[32], want[32];
    uint32_t key[8], out[16];
    dx_cas_blake3 mode;
    dx_cas_blake3_init(&mode);
    dx_cas_p_blake3_iv(key);
    for (unsigned round = 0; round < 2; round++, offset += 8192, chunk += 8) { /* the counter's upper half */
        for (size_t size = 1; size <= 8192; size += 63) {
            OK(dx_cas_blake3_part(&mode, offset, data, size, is));
            reference(key, 0, data, size, chunk, false, out);
            for (unsigned i = 0; i < 8; i++) dx_cas_p_store32(want + 4 * i, out[i]);
            DX_CHECK_MEM(is, want, 32);
        }
    }
    DX_CHECK_EQ(dx_cas_blake3_part(&mode, 0, data, 0, is), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_blake3_part(&mode, 512, data, 512, is), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_blake3_part(&mode, 1024, data, 1025, is), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_blake3_part(&mode, 2048, data, 4096, is), DX_CAS_EINVAL);
}

/* More than 32 bytes of output: whole states of one block, as many as fit. */
DX_TEST(ca_2_long_outputs)
{
    static const size_t sizes[] = {0, 1, 64, 65, 1024, 1025, 4096, 9000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t all[300], part[300];
        uint32_t key[8], out[16];
        dx_cas_blake3 h;
        dx_cas_blake3_init(&h);
        dx_cas_blake3_update(&h, data, sizes[i]);
        dx_cas_blake3_final(&h, all, sizeof all);
        dx_cas_p_blake3_iv(key);
        reference(key, 0, data, sizes[i], 0, true, out);
        for (unsigned k = 0; k < 16; k++) dx_cas_p_store32(part + 4 * k, out[k]);
        DX_CHECK_MEM(all, part, 64);
        for (size_t n = 0; n < sizeof part; n += 37) {
            dx_cas_blake3_final(&h, part, n);
            DX_CHECK_MEM(all, part, n);
        }
    }
}

DX_TEST(ca_2_the_width_that_was_asked_for)
{
#if defined(DX_CAS_LANES) && defined(DX_CAS_P_SIMD)
    DX_CHECK_EQ(dx_cas_p_lanes(), DX_CAS_LANES);
#elif defined(DX_CAS_LANES)
    DX_CHECK_EQ(DX_CAS_LANES, 1);
#elif defined(DX_CAS_P_SIMD)
    DX_CHECK(dx_cas_p_lanes() >= 4);
#endif
}
