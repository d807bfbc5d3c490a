/* layers/dx_hde.h: states against baselines. With -DDX_HDE_ZSTD -lzstd the same with zstd, and dictionaries. */
#define DX_IMPLEMENTATION
#include "../../dx_patch.h"
#include "../../layers/dx_hde.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include <pthread.h>

enum { STATE = 1 << 20 };

typedef struct side {
    dx_hde h;
    dx_hde_desc desc;
    dx_hde_zstd zstd;
} side;

static void open_side(side *s, uint32_t state_max, size_t memory_size)
{
    s->desc.state_max = state_max;
#ifdef DX_HDE_ZSTD
    s->zstd.cctx = ZSTD_createCCtx();
    s->zstd.dctx = ZSTD_createDCtx();
    s->desc.zstd = &s->zstd;
#endif
    s->desc.memory_size = memory_size ? memory_size : dx_hde_memory_size(&s->desc);
    s->desc.memory = malloc(s->desc.memory_size);
    DX_CHECK_EQ(dx_hde_init(&s->h, &s->desc), 0);
}

static void close_side(side *s)
{
    free(s->desc.memory);
#ifdef DX_HDE_ZSTD
    ZSTD_freeCCtx((ZSTD_CCtx *)s->zstd.cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)s->zstd.dctx);
#endif
    memset(s, 0, sizeof *s);
}

static void fill(uint8_t *p, size_t size, uint64_t seed)
{
    static const char *words[] = {"alpha ", "beta=", "gamma;", "delta ", "\n", "state:", "0000", "zeta"};
    for (size_t i = 0; i < size;) {
        uint64_t r = dx_test_random(&seed);
        const char *w = words[r & 7];
        for (; *w && i < size; w++) p[i++] = (uint8_t)*w;
        if (r >> 8 & 1 && i < size) p[i++] = (uint8_t)(r >> 16 & 255);
    }
}

/* Encode on one side, decode on the other, compare; returns the record's size. */
static size_t pass(side *from, side *to, uint64_t key, uint64_t now, const uint8_t *p, size_t size, uint8_t *record, size_t capacity)
{
    size_t record_size = 0, got = 0;
    uint8_t *out = malloc(size + 1);
    DX_CHECK_EQ(dx_hde_encode(&from->h, key, now, p, size, record, capacity, &record_size), 0);
    DX_CHECK_EQ(dx_hde_decode(&to->h, key, now, record, record_size, out, size, &got), 0);
    DX_CHECK_EQ(got, size);
    DX_CHECK_MEM(out, p, size);
    free(out);
    return record_size;
}

static uint8_t record[STATE + DX_HDE_HEAD_MAX], one[STATE + 8], two[STATE + 8];

DX_TEST(hd_1_hd_8_w_50_w_51_grow_shrink_empty_identical_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 31, 511, 512, 4000, 4096, 4097, 5000, 8192, 8193, 20000, 100000, 400000};
    side a = {0}, b = {0};
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k += i > 10 ? 4 : 1) {
            fill(one, sizes[i], 1);
            fill(two, sizes[k], 1 + (k & 1));
            if (sizes[k] > 100) two[sizes[k] / 2] ^= 85;
            pass(&a, &b, i * 16 + k, 0, one, sizes[i], record, sizeof record);
            size_t size = pass(&a, &b, i * 16 + k, 0, two, sizes[k], record, sizeof record);
            if (i == k && !(k & 1) && sizes[k] > 511) DX_CHECK(size < 130 && record[4] == 2);
            pass(&a, &b, i * 16 + k, 0, two, sizes[k], record, sizeof record);
        }
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_5_hashes_are_blake3_with_and_without_a_baseline)
{
    static const size_t sizes[] = {0, 1, 63, 64, 1024, 1025, 2049, 4095, 4096, 4097, 8192, 12289, 65535, 65536, 65537, 69632, 69633, 131072, 131073, 300000, 1048576};
    side a = {0};
    open_side(&a, STATE, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < 4; k++) {
            uint8_t hash[32];
            dx_hde_record r;
            size_t n;
            fill(one, sizes[i], i);
            if (sizes[i] && k > 1) one[k > 2 ? sizes[i] - 1 : sizes[i] / 2] ^= 1;
            if (k == 1) DX_CHECK_EQ(dx_hde_keep(&a.h, i, 0, one, sizes[i ? i - 1 : 0]), 0);
            dx_patch_hash(one, sizes[i], hash);
            DX_CHECK_EQ(dx_hde_encode(&a.h, i, 0, one, sizes[i], record, sizeof record, &n), 0);
            DX_CHECK_EQ(dx_hde_info(record, n, &r), 0);
            DX_CHECK_MEM(hash, r.hash, 32);
        }
    close_side(&a);
}

DX_TEST(hd_2_a_whole_state_after_the_interval_and_the_chain)
{
    side a = {0};
    size_t size;
    a.desc.chain_max = 3;
    a.desc.interval_ms = 2000;
    open_side(&a, 65536, 0);
    fill(one, 60000, 3);
    static const struct { uint64_t now; int kind; } steps[] = {{0, 1}, {1, 2}, {2, 2}, {3, 2}, {4, 1}, {5, 2}, {2003, 2}, {2004, 1}, {2005, 2}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        one[i]++;
        DX_CHECK_EQ(dx_hde_encode(&a.h, 1, steps[i].now, one, 60000, record, sizeof record, &size), 0);
        DX_CHECK_EQ(record[4], steps[i].kind);
    }
    DX_CHECK_EQ(a.h.stats_.refreshes, 2);
    DX_CHECK_EQ(a.h.stats_.encoded, 9);
    DX_CHECK_EQ(a.h.stats_.deltas, 6);
    close_side(&a);
}

DX_TEST(hd_5_hd_10_w_53_records_say_what_they_are)
{
    side a = {0}, b = {0};
    dx_hde_record r;
    uint8_t hash[32];
    uint64_t seed = 5;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    fill(one, 300, 1);
    size_t size = pass(&a, &b, 1, 0, one, 300, record, sizeof record); /* small: stored uncompressed */
    DX_CHECK_EQ(dx_hde_info(record, size, &r), 0);
    DX_CHECK(r.kind == 1 && r.coding == DX_HDE_PLAIN && r.keep && r.state_size == 300 && size == 300 + 12 + 5 + 32);
    dx_patch_hash(one, 300, hash);
    DX_CHECK_MEM(hash, r.hash, 32);
    for (size_t i = 0; i < 50000; i++) two[i] = (uint8_t)dx_test_random(&seed); /* incompressible: stored uncompressed */
    size = pass(&a, &b, 2, 0, two, 50000, record, sizeof record);
    DX_CHECK_EQ(size, 50000 + 12 + 7 + 32);
    two[777] ^= 1;
    size = pass(&a, &b, 2, 0, two, 50000, record, sizeof record);
    DX_CHECK_EQ(dx_hde_info(record, size, &r), 0);
    DX_CHECK(r.kind == 2 && !r.keep && size < 130);
    two[777] ^= 1;
    dx_patch_hash(two, 50000, hash);
    DX_CHECK_MEM(hash, r.baseline, 32);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_7_w_54_w_56_a_receiver_without_the_baseline_is_told_so)
{
    side a = {0}, b = {0};
    size_t size, got;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    fill(one, 40000, 9);
    DX_CHECK_EQ(dx_hde_encode(&a.h, 4, 0, one, 40000, record, sizeof record, &size), 0); /* lost */
    one[5] = 0;
    DX_CHECK_EQ(dx_hde_encode(&a.h, 4, 1, one, 40000, record, sizeof record, &size), 0);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 4, 1, record, size, two, STATE, &got), DX_HDE_ENOTFOUND);
    DX_CHECK_EQ(got, 0);
    DX_CHECK_EQ(dx_hde_drop(&a.h, 4), 1);
    DX_CHECK_EQ(dx_hde_drop(&a.h, 4), 0);
    pass(&a, &b, 4, 2, one, 40000, record, sizeof record);
    DX_CHECK_EQ(record[4], 1);
    one[6] = 0;
    pass(&a, &b, 4, 3, one, 40000, record, sizeof record);
    DX_CHECK_EQ(record[4], 2);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_9_baselines_leave_by_age_and_the_memory_is_a_cap)
{
    side a = {0}, b = {0};
    a.desc.age_max_ms = 1000;
    open_side(&a, 65536, 0);
    for (uint64_t k = 0; k < 5; k++) {
        size_t size;
        fill(one, 1000, k);
        DX_CHECK_EQ(dx_hde_encode(&a.h, k, k * 100, one, 1000, record, sizeof record, &size), 0);
    }
    DX_CHECK_EQ(a.h.stats_.baselines, 5);
    DX_CHECK_EQ(dx_hde_prune(&a.h, 1000), 0);
    DX_CHECK_EQ(dx_hde_prune(&a.h, 1201), 3);
    DX_CHECK_EQ(a.h.stats_.baselines, 2);
    close_side(&a);
    b.desc.state_max = 65536;
    b.desc.baselines_max = 1;
#ifdef DX_HDE_ZSTD
    b.desc.zstd = &b.zstd;
#endif
    size_t least = dx_hde_memory_size(&b.desc);
    b.desc.baselines_max = 16;
    open_side(&b, 65536, least + 16 * 128 + 70000); /* not two of the largest */
    for (uint64_t k = 0; k < 40; k++) {
        size_t size = 1 + (size_t)(k * 7919 % 65536);
        fill(one, size, k);
        pass(&b, &b, k, 0, one, size, record, sizeof record);
    }
    DX_CHECK(b.h.stats_.evicted > 20 && b.h.stats_.baselines >= 1);
    DX_CHECK_EQ(dx_hde_encode(&b.h, 1, 0, one, 65537, record, sizeof record, &least), DX_HDE_ETOOBIG);
    close_side(&b);
}

DX_TEST(hd_14_w_55_baselines_are_copies)
{
    side a = {0}, b = {0};
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    fill(one, 30000, 2);
    pass(&a, &b, 1, 0, one, 30000, record, sizeof record);
    memset(one, 255, 20000); /* the caller's buffer is reused */
    size_t size = pass(&a, &b, 1, 0, one, 30000, record, sizeof record);
    DX_CHECK(record[4] == 2 && size < 1000);
    close_side(&a);
    close_side(&b);
}

/* Keys in parallel: one object per thread for its share of the keys, and one lock if any thread may get any key. */
enum { SHARES = 3 };
typedef struct share {
    pthread_mutex_t lock;
    side a, b;
} share;
static share shares[SHARES];

static void *work_in_parallel(void *user)
{
    uint64_t seed = (uintptr_t)user;
    uint8_t *state = malloc(9000), *out = malloc(9000), *bytes = malloc(9000 + DX_HDE_HEAD_MAX);
    for (int i = 0; i < 300; i++) {
        uint64_t key = dx_test_random(&seed) % 12;
        share *s = shares + key % SHARES;
        size_t n, got;
        fill(state, 9000, key);
        state[dx_test_random(&seed) % 9000] ^= 77;
        pthread_mutex_lock(&s->lock);
        int error = dx_hde_encode(&s->a.h, key, 0, state, 9000, bytes, 9000 + DX_HDE_HEAD_MAX, &n);
        if (!error) error = dx_hde_decode(&s->b.h, key, 0, bytes, n, out, 9000, &got);
        pthread_mutex_unlock(&s->lock);
        if (error || got != 9000 || memcmp(state, out, 9000) != 0) return user;
    }
    free(state);
    free(out);
    free(bytes);
    return NULL;
}

DX_TEST(hd_14_keys_in_parallel_one_key_in_turn)
{
    pthread_t threads[4];
    for (int i = 0; i < SHARES; i++) {
        pthread_mutex_init(&shares[i].lock, NULL);
        open_side(&shares[i].a, 9000, 0);
        open_side(&shares[i].b, 9000, 0);
    }
    for (uintptr_t i = 0; i < 4; i++) DX_CHECK_EQ(pthread_create(&threads[i], NULL, work_in_parallel, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        DX_CHECK_EQ(pthread_join(threads[i], &failed), 0);
        DX_CHECK(!failed);
    }
    for (int i = 0; i < SHARES; i++) {
        close_side(&shares[i].a);
        close_side(&shares[i].b);
    }
}

DX_TEST(w_52_small_changes_are_not_lost_and_an_inserted_byte_is_cheap)
{
    side a = {0}, b = {0};
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    fill(one, STATE - 1, 8);
    pass(&a, &b, 1, 0, one, STATE - 1, record, sizeof record);
    memcpy(two, one, STATE - 1);
    two[5000]++, two[5001] = (uint8_t)(two[5001] - 2), two[5002]++; /* the same Adler-32 */
    DX_CHECK(pass(&a, &b, 1, 0, two, STATE - 1, record, sizeof record) < 140);
    memmove(two + 70001, one + 70000, STATE - 1 - 70000);
    memcpy(two, one, 70000);
    DX_CHECK(pass(&a, &b, 1, 0, two, STATE, record, sizeof record) < 300);
    memcpy(two, one + 409600, 409600); /* pages that moved */
    memcpy(two + 409600, one, 409600);
    DX_CHECK(pass(&a, &b, 1, 0, two, 819200, record, sizeof record) < 300);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_3_floats_by_lanes_and_repeated_patterns)
{
    side a = {0}, b = {0};
    uint64_t seed = 77;
    open_side(&a, 8 << 20, 0);
    open_side(&b, 8 << 20, 0);
    static float f[100000];
    for (size_t i = 0; i < 100000; i++) f[i] = (float)(dx_test_random(&seed) % 100000) / 1000.0f + 1;
    pass(&a, &b, 1, 0, (uint8_t *)f, sizeof f, record, sizeof record);
    for (size_t i = 20000; i < 70000; i++) f[i] *= 1.0f + (float)(dx_test_random(&seed) % 1000) * 1e-7f;
    size_t size = pass(&a, &b, 1, 0, (uint8_t *)f, sizeof f, record, sizeof record);
    DX_CHECK(record[4] == 2 && (record[6] & 15) == 2 && size < 130000);
    uint8_t *p = malloc(8 << 20), *large = malloc((8 << 20) + 96);
    for (size_t i = 0; i < 8 << 20; i++) p[i] = (uint8_t)"The 23 bytes of pattern"[i % 23];
    DX_CHECK(pass(&a, &b, 2, 0, p, 8 << 20, large, (8 << 20) + 96) <= 128);
    free(p);
    free(large);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_4_st_7_level_6_searches_like_a_delta_tool)
{
    side a = {0}, b = {0};
    a.desc.level = b.desc.level = 7;
    open_side(&a, 262144, 0);
    open_side(&b, 262144, 0);
    for (size_t i = 0; i < 200000; i += 8) memcpy(one + i, (uint64_t[]){0x400000 + i * 3}, 8);
    pass(&a, &b, 1, 0, one, 200000, record, sizeof record);
    for (size_t i = 0; i < 200000; i += 8) memcpy(two + i, (uint64_t[]){0x400000 + i * 3 + (i > 90000 ? 64 : 0)}, 8);
    size_t size = pass(&a, &b, 1, 0, two, 200000, record, sizeof record);
    DX_CHECK(record[4] != 1 && size < 20000);
    close_side(&a);
    close_side(&b);
}

DX_TEST(w_2_every_truncation_and_every_bit_flip_is_refused)
{
    side a = {0}, b = {0};
    size_t size, got;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    fill(one, 6000, 4);
    for (int step = 0; step < 2; step++) {
        one[4500] ^= (uint8_t)step;
        one[700] = (uint8_t)(one[700] + step);
        DX_CHECK_EQ(dx_hde_encode(&a.h, 1, 0, one, 6000, record, sizeof record, &size), 0);
        for (size_t i = 0; i < size; i++) DX_CHECK(dx_hde_decode(&b.h, 1, 0, record, i, two, STATE, &got) < 0 && !got);
        for (size_t i = 0; i < 8 * size; i += step ? 1 : 7) {
            record[i / 8] ^= (uint8_t)(1 << i % 8);
            DX_CHECK(dx_hde_decode(&b.h, 1, 0, record, size, two, STATE, &got) < 0 && !got);
            record[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        record[size] = 0;
        DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, size + 1, two, STATE, &got), DX_HDE_ECORRUPT);
        DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, size, two, 5999, &got), DX_HDE_ENOSPACE);
        DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, size, two, 6000, &got), 0);
    }
    close_side(&a);
    close_side(&b);
}

static void seal(uint8_t *p, size_t size)
{
    dx_hde_p_store32(p + 8, dx_hde_p_crc32c(dx_hde_p_crc32c(0, p, 8), p + 12, size - 12));
}

/* Damage with a valid checksum: an error, or the exact state. A refused record changes nothing. */
DX_PROPERTY(w_57_invented_records_are_refused_or_harmless, 500)
{
    side a = {0}, b = {0};
    size_t size, got = 0, state = 1 + (size_t)dx_choose(c, 9000), flips = 1 + (size_t)dx_choose(c, 3);
    bool delta = dx_choose(c, 1) != 0;
    open_side(&a, 9001, 0);
    open_side(&b, 9001, 0);
    fill(one, state, dx_choose(c, 1000));
    pass(&a, &b, 1, 0, one, state, record, sizeof record);
    if (delta) one[state / 2] ^= 7, one[state / 3] ^= 24;
    DX_CHECK_EQ(dx_hde_encode(&a.h, delta ? 1 : 2, 0, one, state, record, sizeof record, &size), 0);
    for (; flips; flips--) {
        size_t at = (size_t)dx_choose(c, size - 1);
        record[at] = (uint8_t)dx_choose(c, 255);
    }
    seal(record, size);
    uint32_t kept = b.h.stats_.baselines;
    int error = dx_hde_decode(&b.h, 1, 0, record, size, two, 9001, &got);
    if (error) DX_CHECK(got == 0 && b.h.stats_.baselines == kept);
    else DX_CHECK(got == state && memcmp(two, one, state) == 0);
    close_side(&a);
    close_side(&b);
}

/* A record of these fields with a valid checksum. */
static size_t forge(uint8_t *p, int kind, int coding, uint64_t state_size, const uint8_t *body, size_t body_size)
{
    dx_hde_record r;
    memset(&r, 0, sizeof r);
    r.kind = (uint8_t)kind;
    r.coding = (uint8_t)coding;
    r.hash_size = 32;
    r.state_size = state_size;
    r.body_size = body_size;
    size_t n = dx_hde_p_put_head(&r, p);
    memcpy(p + n, body, body_size);
    seal(p, n + body_size);
    return n + body_size;
}

DX_TEST(w_57_declared_sizes_are_limits)
{
    side b = {0};
    size_t got, n;
    static const uint8_t ones[36] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    open_side(&b, 1000, 0);
    n = forge(record, DX_HDE_WHOLE, DX_HDE_RANGE, (uint64_t)1 << 62, ones, sizeof ones);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, n, two, STATE, &got), DX_HDE_ETOOBIG);
    n = forge(record, DX_HDE_WHOLE, DX_HDE_RANGE, 1001, ones, sizeof ones);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, n, two, STATE, &got), DX_HDE_ETOOBIG);
    n = forge(record, DX_HDE_WHOLE, DX_HDE_RANGE, 100, ones, sizeof ones);
    DX_CHECK(dx_hde_decode(&b.h, 1, 0, record, n, two, STATE, &got) < 0);
    close_side(&b);
}

/* Histories of several keys with losses, late records and time: every decoded state equals the encoded one. */
DX_PROPERTY(hd_15_random_histories_are_lossless, 100)
{
    static uint8_t model[3][20000];
    static size_t sizes[3];
    side a = {0}, b = {0};
    uint64_t now = 0;
    size_t size, got;
    a.desc.rolling = dx_choose(c, 1) != 0;
    a.desc.chain_max = 1 + (uint32_t)dx_choose(c, 5);
    a.desc.baselines_max = b.desc.baselines_max = 1 + (uint32_t)dx_choose(c, 4);
    a.desc.interval_ms = 1000;
    open_side(&a, 20000, 0);
    open_side(&b, 20000, 0);
    for (unsigned k = 0; k < 3; k++) fill(model[k], sizes[k] = (size_t)dx_choose(c, 20000), k);
    for (unsigned step = (unsigned)dx_choose(c, 25); step; step--) {
        unsigned k = (unsigned)dx_choose(c, 2);
        now += dx_choose(c, 400);
        for (unsigned n = (unsigned)dx_choose(c, 3); n && sizes[k]; n--) {
            size_t at = (size_t)dx_choose(c, sizes[k] - 1), most = sizes[k] - at < 50 ? sizes[k] - at : 50;
            fill(model[k] + at, (size_t)dx_choose(c, most), dx_choose(c, 99));
        }
        if (dx_choose(c, 4) == 4) fill(model[k], sizes[k] = (size_t)dx_choose(c, 20000), k + step % 2);
        DX_CHECK_EQ(dx_hde_encode(&a.h, k, now, model[k], sizes[k], record, sizeof record, &size), 0);
        DX_CHECK(size <= sizes[k] + DX_HDE_HEAD_MAX);
        if (dx_choose(c, 5) == 5) continue; /* lost */
        int error = dx_hde_decode(&b.h, k, now, record, size, two, STATE, &got);
        DX_CHECK(error == 0 || error == DX_HDE_ENOTFOUND);
        uint8_t nack[DX_HDE_HEAD_MAX];
        size_t nack_size;
        if (error) {
            DX_CHECK_EQ(dx_hde_write_nack(record, size, nack, &nack_size), 0);
            error = dx_hde_read_nack(&a.h, k, nack, nack_size); /* or the sender has lost it, too */
            DX_CHECK(error == 0 || error == DX_HDE_ENOTFOUND);
            continue;
        }
        DX_CHECK(got == sizes[k] && memcmp(two, model[k], got) == 0);
    }
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_compose_makes_one_of_two)
{
    side a = {0}, b = {0};
    static uint8_t first[9000], second[9000], both[9000], work[140000];
    size_t n[3], got;
    a.desc.rolling = true;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    fill(one, 60000, 6);
    pass(&a, &b, 1, 0, one, 60000, record, sizeof record);
    memcpy(one + 100, "first", 5);
    DX_CHECK_EQ(dx_hde_encode(&a.h, 1, 0, one, 60000, first, sizeof first, &n[0]), 0);
    memcpy(one + 30000, "second", 6);
    DX_CHECK_EQ(dx_hde_encode(&a.h, 1, 0, one, 59000, second, sizeof second, &n[1]), 0);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, second, n[1], two, STATE, &got), DX_HDE_ENOTFOUND);
    DX_CHECK_EQ(dx_hde_compose(&b.h, 1, first, n[0], second, n[1], work, sizeof work, both, sizeof both, &n[2]), 0);
    DX_CHECK(n[2] < n[0] + n[1]);
    DX_CHECK_EQ(dx_hde_compose(&b.h, 1, second, n[1], first, n[0], work, sizeof work, both, sizeof both, &got), DX_HDE_EBASE);
    DX_CHECK_EQ(dx_hde_compose(&b.h, 1, first, n[0], second, n[1], work, 118999, both, sizeof both, &got), DX_HDE_ENOMEM);
    DX_CHECK_EQ(dx_hde_compose(&b.h, 1, first, n[0], second, n[1], work, 119000, both, sizeof both, &n[2]), 0);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, both, n[2], two, STATE, &got), 0);
    DX_CHECK(got == 59000 && memcmp(two, one, got) == 0);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_12_the_level_follows_the_time)
{
    side a = {0};
    a.desc.level = 5;
    open_side(&a, 1000, 0);
    dx_hde_adapt_level(&a.h, 101, false);
    dx_hde_adapt_level(&a.h, 1, true);
    DX_CHECK_EQ(a.h.stats_.level, 3);
    for (int i = 0; i < 99; i++) dx_hde_adapt_level(&a.h, 100, false);
    DX_CHECK_EQ(a.h.stats_.level, 3);
    for (int i = 0; i < 500; i++) dx_hde_adapt_level(&a.h, 1, false);
    DX_CHECK_EQ(a.h.stats_.level, 5);
    for (int i = 0; i < 9; i++) dx_hde_adapt_level(&a.h, 999, false);
    DX_CHECK_EQ(a.h.stats_.level, 1);
    close_side(&a);
}

DX_TEST(hd_12_a_ratio_that_suffices_lowers_the_level)
{
    side a = {0};
    size_t n;
    a.desc.level = 5;
    a.desc.ratio_wanted = 300;
    open_side(&a, 1000, 0);
    memset(one, 7, 1000);
    for (int i = 0; i < 100; i++) {
        DX_CHECK_EQ(dx_hde_encode(&a.h, 1, 0, one, 1000, record, sizeof record, &n), 0);
        dx_hde_adapt_level(&a.h, 1, false);
    }
    DX_CHECK_EQ(a.h.stats_.level, 4);
    close_side(&a);
}

DX_TEST(hd_13_figures)
{
    side a = {0}, b = {0};
    dx_hde_stats s;
    uint8_t nack[DX_HDE_HEAD_MAX];
    size_t n, got, nack_size, bytes = 0;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    dx_hde_get_stats(&a.h, &s);
    DX_CHECK(s.encoded == 0 && s.hit_percent == 0 && s.ratio_percent == 0 && s.level == 3);
    fill(one, 40000, 5);
    for (int i = 0; i < 4; i++) {
        one[i]++;
        bytes += pass(&a, &b, 1, 0, one, 40000, record, sizeof record);
        dx_hde_adapt_level(&a.h, 2, false);
    }
    dx_hde_get_stats(&a.h, &s);
    DX_CHECK(s.encoded == 4 && s.deltas == 3 && s.hit_percent == 75 && s.refreshes == 0 && s.baselines == 1);
    DX_CHECK(s.state_bytes == 160000 && s.record_bytes == bytes && s.ratio_percent == 16000000 / bytes && s.encode_ms == 8);
    dx_hde_drop(&b.h, 1);
    DX_CHECK_EQ(dx_hde_encode(&a.h, 1, 0, one, 40000, record, sizeof record, &n), 0);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, record, n, two, STATE, &got), DX_HDE_ENOTFOUND);
    DX_CHECK_EQ(dx_hde_write_nack(record, n, nack, &nack_size), 0);
    DX_CHECK_EQ(dx_hde_decode(&b.h, 1, 0, nack, nack_size, two, STATE, &got), DX_HDE_EVERSION);
    DX_CHECK_EQ(dx_hde_read_nack(&a.h, 1, record, n), DX_HDE_EVERSION);
    DX_CHECK_EQ(dx_hde_read_nack(&a.h, 1, nack, nack_size), 0);
    DX_CHECK_EQ(dx_hde_read_nack(&a.h, 1, nack, nack_size), DX_HDE_ENOTFOUND); /* twice: too late */
    dx_hde_get_stats(&a.h, &s);
    DX_CHECK(s.nacks == 1 && s.baselines == 0);
    dx_hde_get_stats(&b.h, &s);
    DX_CHECK_EQ(s.decoded, 4);
    close_side(&a);
    close_side(&b);
}

/* Blocks that are copied, added and modified; if that saves too little, the state is sent whole. */
DX_TEST(hd_16_copy_add_modify_of_blocks)
{
    side a = {0}, b = {0};
    uint64_t seed = 9;
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    for (size_t i = 0; i < 40960; i++) one[i] = (uint8_t)dx_test_random(&seed);
    pass(&a, &b, 1, 0, one, 40960, record, sizeof record);
    memcpy(two, one + 4096, 4096 * 9);                                           /* copied from elsewhere */
    for (size_t i = 0; i < 4096; i++) two[36864 + i] = (uint8_t)dx_test_random(&seed);      /* added */
    two[10000] ^= 1, two[20001] ^= 2;                                            /* modified */
    size_t n = pass(&a, &b, 1, 0, two, 40960, record, sizeof record);
    DX_CHECK(record[4] == 2 && n < 4096 + 300);
    for (size_t i = 0; i < 40960; i++) two[i] = i % 10 < 8 ? (uint8_t)dx_test_random(&seed) : two[i];
    n = pass(&a, &b, 1, 0, two, 40960, record, sizeof record); /* above 0.7 of its size: sent whole, and a baseline from now on */
    DX_CHECK(record[4] == 1 || n < 40960);
    two[5] ^= 1;
    DX_CHECK(pass(&a, &b, 1, 0, two, 40960, record, sizeof record) < 40960);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_bad_arguments_and_too_little_memory)
{
    dx_hde h;
    dx_hde_desc d;
    size_t size;
    memset(&d, 0, sizeof d);
    d.state_max = 1000;
    d.memory = two;
    d.memory_size = 1000;
    DX_CHECK_EQ(dx_hde_init(&h, &d), DX_HDE_ENOMEM);
    d.memory_size = sizeof two;
    d.chain_max = 1001;
    DX_CHECK_EQ(dx_hde_init(&h, &d), DX_HDE_EINVAL);
    d.chain_max = 0;
    d.interval_ms = 999;
    DX_CHECK_EQ(dx_hde_init(&h, &d), DX_HDE_EINVAL);
    d.interval_ms = 1000;
    DX_CHECK_EQ(dx_hde_init(&h, &d), 0);
    fill(one, 1000, 1);
    DX_CHECK_EQ(dx_hde_encode(&h, 1, 0, NULL, 5, record, 500, &size), DX_HDE_EINVAL);
    DX_CHECK_EQ(dx_hde_encode(&h, 1, 0, one, 400, record, 400, &size), DX_HDE_ENOSPACE);
    DX_CHECK(size == 0 && h.stats_.baselines == 0 && h.stats_.encoded == 0);
    DX_CHECK_EQ(dx_hde_encode(&h, 1, 0, one, 1000, record, 1000 + DX_HDE_HEAD_MAX, &size), 0);
}

static void check_vector(const char *name, const uint8_t *p, size_t size)
{
    uint8_t expected[200];
    if (getenv("DX_HDE_PRINT")) {
        printf("%s:", name);
        for (size_t i = 0; i < size; i++) printf("%s%02x", i % 16 ? " " : "\n", p[i]);
        printf("\n");
    }
    size_t n = dx_test_vector("docs/formats/hde.md", name, expected, sizeof expected);
    DX_CHECK_EQ(n, size);
    DX_CHECK_MEM(expected, p, n);
}

DX_TEST(hd_5_vectors_of_the_document)
{
    uint8_t nack[DX_HDE_HEAD_MAX];
    side a = {0}, b = {0};
    size_t size, nack_size;
    open_side(&a, 1000, 0);
    open_side(&b, 1000, 0);
    for (size_t i = 0; i < 400; i++) one[i] = (uint8_t)(i * i);
    DX_CHECK_EQ(pass(&a, &b, 1, 0, one, 400, record, sizeof record), 12 + 5 + 32 + 400);
    check_vector("hde-whole", record, 64);
    one[9] = 1;
    one[200] = 2;
    size = pass(&a, &b, 1, 0, one, 400, record, sizeof record);
    check_vector("hde-delta", record, size);
    DX_CHECK_EQ(dx_hde_write_nack(record, size, nack, &nack_size), 0);
    check_vector("hde-nack", nack, nack_size);
    close_side(&a);
    close_side(&b);
}

#ifdef DX_HDE_ZSTD
DX_TEST(hd_11_st_6_a_trained_dictionary_gains_and_a_missing_one_is_named)
{
    enum { SAMPLES = 900, EACH = 1100 };
    static uint8_t samples[SAMPLES * EACH], dictionary[16384];
    size_t plain = 0, with = 0, size, got;
    for (size_t i = 0; i < SAMPLES; i++) {
        char *p = (char *)samples + i * EACH;
        uint64_t seed = i;
        for (int n = 0; n < EACH - 100;)
            n += sprintf(p + n, "{\"id\":%u,\"name\":\"user-%u\",\"state\":\"%s\",\"load\":%u.%u},", (unsigned)(dx_test_random(&seed) & 0xffff),
                         (unsigned)(dx_test_random(&seed) & 0xfff), dx_test_random(&seed) & 1 ? "running" : "stopped", (unsigned)(dx_test_random(&seed) % 100), (unsigned)(dx_test_random(&seed) % 10));
    }
    size_t made;
    dx_hde_trainer t = {0};
    t.memory = malloc(t.memory_size = 2 << 20);
    DX_CHECK_EQ(dx_hde_trainer_add(&t, samples, 1023), DX_HDE_EINVAL);
    DX_CHECK_EQ(dx_hde_train(&t, 5, dictionary, sizeof dictionary, &made), DX_HDE_EAGAIN);
    for (size_t i = 0; i < SAMPLES - 100; i++) DX_CHECK_EQ(dx_hde_trainer_add(&t, samples + i * EACH, EACH), 0);
    DX_CHECK_EQ(dx_hde_train(&t, 5, dictionary, sizeof dictionary, &made), 0);
    for (size_t i = 0; i < 1000; i++) DX_CHECK_EQ(dx_hde_trainer_add(&t, samples + i % SAMPLES * EACH, EACH), 0);
    DX_CHECK_EQ(dx_hde_trainer_add(&t, samples, EACH), DX_HDE_ENOSPACE);
    DX_CHECK_EQ(dx_hde_train(&t, 86400004, samples, sizeof dictionary, &got), DX_HDE_EAGAIN);
    DX_CHECK_EQ(t.version, 1);
    free(t.memory);
    side a = {0}, b = {0}, other = {0};
    open_side(&a, 65536, 0);
    open_side(&b, 65536, 0);
    open_side(&other, 65536, 0);
    b.zstd.cdict = ZSTD_createCDict(dictionary, made, 3);
    const void *ddicts[1] = {ZSTD_createDDict(dictionary, made)};
    b.zstd.ddicts = ddicts;
    b.zstd.ddict_count = 1;
    for (size_t i = SAMPLES - 100; i < SAMPLES; i++) {
        plain += pass(&a, &a, i, 0, samples + i * EACH, EACH, record, sizeof record);
        with += pass(&b, &b, i, 0, samples + i * EACH, EACH, record, sizeof record);
    }
    DX_CHECK(with * 10 <= plain * 8);
    DX_CHECK_EQ(dx_hde_encode(&b.h, 1, 0, samples, EACH, record, sizeof record, &size), 0);
    dx_hde_record info;
    DX_CHECK_EQ(dx_hde_info(record, size, &info), 0);
    DX_CHECK_EQ(info.dictionary, 32769);
    DX_CHECK_EQ(dx_hde_decode(&other.h, 1, 0, record, size, two, STATE, &got), DX_HDE_ENOTFOUND);
    ZSTD_freeCDict((ZSTD_CDict *)(uintptr_t)b.zstd.cdict);
    ZSTD_freeDDict((ZSTD_DDict *)(uintptr_t)ddicts[0]);
    close_side(&a);
    close_side(&b);
    close_side(&other);
}

DX_TEST(hd_5_hd_7_a_prefix_that_both_sides_have_and_one_that_they_have_not)
{
    side a = {0}, b = {0};
    uint64_t seed = 7;
    size_t size, got, nack_size;
    uint8_t nack[DX_HDE_HEAD_MAX];
    dx_hde_record info;
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    for (size_t i = 0; i < STATE; i++) one[i] = (uint8_t)dx_test_random(&seed);
    memcpy(two, one + STATE / 2 + 5, 200000);
    const size_t alone = pass(&a, &b, 1, 0, two, 200000, record, sizeof record);
    a.zstd.prefix = b.zstd.prefix = one; /* 1 MiB: the state is in its middle */
    a.zstd.prefix_size = b.zstd.prefix_size = STATE;
    a.zstd.prefix_id = b.zstd.prefix_id = DX_HDE_PREFIX + 5;
    const size_t after = pass(&a, &b, 2, 0, two, 200000, record, sizeof record);
    DX_CHECK(after < 300 && alone > 200000);
    DX_CHECK_EQ(dx_hde_info(record, after, &info), 0);
    DX_CHECK(info.kind == DX_HDE_WHOLE && info.dictionary == DX_HDE_PREFIX + 5);
    uint8_t *out = malloc(STATE);
    static const struct { /* what the receiver has */
        const uint8_t *prefix;
        size_t size;
        uint32_t id;
    } has[] = {{NULL, 0, 0}, {one, STATE, DX_HDE_PREFIX + 6}, {one, 0, DX_HDE_PREFIX + 5}, {one, STATE, 5}};
    for (size_t i = 0; i < sizeof has / sizeof *has; i++) {
        b.zstd.prefix = has[i].prefix;
        b.zstd.prefix_size = has[i].size;
        b.zstd.prefix_id = has[i].id;
        DX_CHECK_EQ(dx_hde_decode(&b.h, 3, 0, record, after, out, STATE, &got), DX_HDE_ENOTFOUND);
    }
    b.zstd.prefix_id = DX_HDE_PREFIX + 5; /* by this number something else: refused, and never data */
    for (size_t i = 0; i < 300; i++) {
        b.zstd.prefix_size = i % 3 ? STATE - i : STATE;
        one[STATE / 2 + 5 + i] ^= 1;
        const int error = dx_hde_decode(&b.h, 3, 0, record, after, out, STATE, &got);
        DX_CHECK(error == DX_HDE_ETARGET || error == DX_HDE_ECORRUPT);
        one[STATE / 2 + 5 + i] ^= 1;
    }
    DX_CHECK_EQ(dx_hde_write_nack(record, after, nack, &nack_size), 0);
    DX_CHECK_EQ(dx_hde_read_nack(&a.h, 2, nack, nack_size), 0);
    b.zstd.prefix = NULL; /* the sender does not use it any more */
    DX_CHECK(pass(&a, &b, 2, 0, two, 200000, record, sizeof record) == alone);
    a.zstd.prefix_id = 6; /* the number of a dictionary: no prefix */
    DX_CHECK(pass(&a, &b, 4, 0, two, 200000, record, sizeof record) == alone);
    DX_CHECK_EQ(dx_hde_encode(&a.h, 5, 0, two, 200000, record, sizeof record, &size), 0);
    DX_CHECK_EQ(size, alone);
    free(out);
    close_side(&a);
    close_side(&b);
}

DX_TEST(hd_3_heavy_states_go_through_zstd)
{
    side a = {0}, b = {0};
    uint64_t seed = 5;
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    fill(one, STATE, 1);
    pass(&a, &b, 1, 0, one, STATE, record, sizeof record);
    DX_CHECK_EQ(record[5], DX_HDE_ZSTD_FRAME);
    for (size_t i = 0; i < STATE; i += 4) one[i] = (uint8_t)dx_test_random(&seed);
    pass(&a, &b, 1, 0, one, STATE, record, sizeof record);
    DX_CHECK(record[4] == 2 && record[5] == DX_HDE_ZSTD_FRAME);
    close_side(&a);
    close_side(&b);
}

/* Bytes that are as likely as any other, and where each one tells a bit of the next: zstd finds nothing, the range coder an
   eighth. Bytes where nothing tells anything stay as they are. */
DX_TEST(hd_3_noise_is_not_coded_and_what_only_looks_like_it_is)
{
    side a = {0}, b = {0};
    uint64_t seed = 9;
    dx_hde_record info;
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    for (size_t i = 0; i < STATE; i++) one[i] = (uint8_t)(dx_test_random(&seed) >> 20);
    for (size_t size = 512; size <= STATE; size *= 2) {
        const size_t made = pass(&a, &b, size, 0, one, size, record, sizeof record);
        DX_CHECK_EQ(dx_hde_info(record, made, &info), 0);
        DX_CHECK_EQ(info.coding, DX_HDE_PLAIN);
    }
    for (size_t i = 1; i < STATE; i++) one[i] = (uint8_t)((one[i] & 127) | (one[i - 1] << 1 & 128));
    const size_t made = pass(&a, &b, 1, 0, one, STATE, record, sizeof record);
    DX_CHECK_EQ(dx_hde_info(record, made, &info), 0);
    DX_CHECK_EQ(info.coding, DX_HDE_RANGE);
    DX_CHECK(made < STATE / 10 * 9);
    close_side(&a);
    close_side(&b);
}
#endif

DX_TEST(dm_8_plain_records_are_whole_states_as_they_are)
{
    side a = {0}, b = {0};
    dx_hde_record info;
    a.desc.plain = true;
    open_side(&a, STATE, 0);
    open_side(&b, STATE, 0);
    memset(one, 7, 100000);
    for (int i = 0; i < 3; i++) {
        const size_t made = pass(&a, &b, 1, 0, one, 100000, record, sizeof record);
        DX_CHECK_EQ(dx_hde_info(record, made, &info), 0);
        DX_CHECK(info.kind == DX_HDE_WHOLE && info.coding == DX_HDE_PLAIN && info.body_size == 100000);
        one[i] = 1;
    }
    close_side(&a);
    close_side(&b);
}
