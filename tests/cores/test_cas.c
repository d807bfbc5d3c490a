#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* kill, fork etc.; the header itself needs nothing */
#endif
/* Tests of dx_cas.h: hash, chunker, Merkle tree, devices, store, names, streams, verify, collect.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_cas.c -o build/test_cas -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_merkle.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* >>helpers ------------------------------------------------------------ */
#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

static void fill(uint8_t *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)dx_test_random(&seed);
}

/* Lower-case words from a small vocabulary, lines of about 60 bytes: text that earlier chunkers never cut. */
static void fill_text(uint8_t *p, size_t size, uint64_t seed)
{
    static const char *words[] = {"the ", "store ", "keeps ", "every ", "version ", "of ", "a ", "file\n"};
    size_t i = 0;
    while (i < size) {
        const char *w = words[dx_test_random(&seed) & 7];
        while (*w && i < size) p[i++] = (uint8_t)*w++;
    }
}

/* The simulated device: memory, an operation log, and faults. */
enum { SIM_WRITE, SIM_TRUNCATE, SIM_SYNC };

typedef struct sim_op {
    int      kind;
    uint64_t offset;
    size_t   size;
    uint8_t *data;
} sim_op;

typedef struct sim {
    uint8_t *data;
    size_t   size, capacity, limit; /* limit: ENOSPACE beyond it */
    sim_op   ops[4096];
    size_t   op_count;
    bool     record;
    long     calls, fail_at, reads; /* fail the call with this number, and all later ones */
    bool     fail_once;
} sim;

static bool sim_fails(sim *d)
{
    d->calls++;
    if (d->fail_at == 0) return false;
    return d->fail_once ? d->calls == d->fail_at : d->calls >= d->fail_at;
}

static void sim_note(sim *d, int kind, uint64_t offset, const void *data, size_t size)
{
    if (!d->record) return;
    DX_CHECK(d->op_count < 4096);
    sim_op *o = &d->ops[d->op_count++];
    o->kind = kind;
    o->offset = offset;
    o->size = size;
    o->data = (uint8_t *)malloc(size + 1);
    if (size) memcpy(o->data, data, size);
}

static int sim_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    sim *d = (sim *)user;
    *got = 0;
    d->reads++;
    if (sim_fails(d)) return DX_CAS_ESYS;
    if (offset >= d->size) return DX_CAS_OK;
    *got = size < d->size - offset ? size : d->size - (size_t)offset;
    memcpy(out, d->data + offset, *got);
    return DX_CAS_OK;
}

static void sim_apply(sim *d, uint64_t offset, const void *data, size_t size)
{
    DX_CHECK(offset + size <= d->capacity);
    if (offset > d->size) memset(d->data + d->size, 0, (size_t)offset - d->size);
    if (size) memcpy(d->data + offset, data, size);
    if (offset + size > d->size) d->size = (size_t)offset + size;
}

static int sim_write(void *user, uint64_t offset, const void *data, size_t size)
{
    sim *d = (sim *)user;
    if (sim_fails(d)) {
        sim_apply(d, offset, data, size / 2); /* and half of it was written */
        return DX_CAS_ESYS;
    }
    if (d->limit && offset + size > d->limit) {
        if (offset < d->limit) sim_apply(d, offset, data, d->limit - (size_t)offset);
        return DX_CAS_ENOSPACE;
    }
    sim_note(d, SIM_WRITE, offset, data, size);
    sim_apply(d, offset, data, size);
    return DX_CAS_OK;
}

static int sim_sync(void *user)
{
    sim *d = (sim *)user;
    if (sim_fails(d)) return DX_CAS_ESYS;
    sim_note(d, SIM_SYNC, 0, NULL, 0);
    return DX_CAS_OK;
}

static int sim_size(void *user, uint64_t *size)
{
    sim *d = (sim *)user;
    *size = d->size;
    return sim_fails(d) ? DX_CAS_ESYS : DX_CAS_OK;
}

static int sim_truncate(void *user, uint64_t size)
{
    sim *d = (sim *)user;
    if (sim_fails(d)) return DX_CAS_ESYS;
    sim_note(d, SIM_TRUNCATE, size, NULL, 0);
    if (size < d->size) d->size = (size_t)size;
    return DX_CAS_OK;
}

static sim *sim_new(size_t capacity)
{
    sim *d = (sim *)calloc(1, sizeof *d);
    d->data = (uint8_t *)calloc(1, capacity);
    d->capacity = capacity;
    return d;
}

static void sim_free(sim *d)
{
    for (size_t i = 0; i < d->op_count; i++) free(d->ops[i].data);
    free(d->data);
    free(d);
}

static dx_cas_device sim_device(sim *d)
{
    dx_cas_device v = {sim_read, sim_write, sim_sync, sim_size, sim_truncate, d, NULL};
    return v;
}

static uint64_t store_memory[(1 << 20) / 8], store_memory2[(1 << 20) / 8];

static uint32_t level_durability, level_preallocate; /* how stores are opened */

static int open_on(dx_cas_store *s, dx_cas_device device, uint32_t mode)
{
    dx_cas_desc desc = {0};
    desc.device = device;
    desc.mode = mode;
    desc.memory = store_memory;
    desc.memory_size = 35 * 1024; /* small: clearing it is most of the time of a small open */
    desc.durability = level_durability;
    desc.preallocate = level_preallocate;
    return dx_cas_open(s, &desc);
}

static int open_sim(dx_cas_store *s, sim *d, uint32_t mode)
{
    return open_on(s, sim_device(d), mode);
}

static int open_second(dx_cas_store *s, sim *d, uint32_t mode)
{
    dx_cas_desc desc = {0};
    desc.device = sim_device(d);
    desc.mode = mode;
    desc.memory = store_memory2;
    desc.memory_size = 48 * 1024;
    desc.durability = level_durability;
    return dx_cas_open(s, &desc);
}

static dx_cas_ref make_ref(const char *name, const dx_cas_id *root, uint64_t size)
{
    dx_cas_ref r;
    memset(&r, 0, sizeof r);
    strcpy(r.name, name);
    r.root = r.content = *root;
    r.size = size;
    r.time_ns = 1000 + size;
    r.kind = 7;
    r.info_size = 3;
    memcpy(r.info, "abc", 3);
    return r;
}

/* >>blake3 ------------------------------------------------------------- */
static size_t from_hex(const char *p, uint8_t *out)
{
    size_t n = 0;
    unsigned v;
    while (sscanf(p, "%2x", &v) == 1 && *p != '"') {
        out[n++] = (uint8_t)v;
        p += 2;
    }
    return n;
}

static const char *after(const char *p, const char *what)
{
    p = strstr(p, what);
    return p ? p + strlen(what) : NULL;
}

DX_TEST(ca_2_blake3_official_vectors)
{
    static uint8_t input[102400];
    uint8_t want[200], got[200];
    char *json = (char *)dx_test_file("tests/vectors/blake3.json", NULL);
    const char *p = json, *key = "whats the Elvish word for friend";
    const char *context = "BLAKE3 2019-12-27 16:29:52 test vectors context";
    size_t cases = 0;
    DX_CHECK(json != NULL);
    for (size_t i = 0; i < sizeof input; i++) input[i] = (uint8_t)(i % 251);
    while ((p = after(p, "\"input_len\": ")) != NULL) {
        size_t size = strtoul(p, NULL, 10);
        static const char *names[] = {"\"hash\": \"", "\"keyed_hash\": \"", "\"derive_key\": \""};
        for (int mode = 0; mode < 3; mode++) {
            dx_cas_blake3 h;
            size_t n = from_hex(p = after(p, names[mode]), want);
            DX_CHECK_EQ(n, 131);
            for (size_t split = 0; split < 3; split++) {
                size_t first = split == 0 ? 0 : split == 1 ? size / 3 : size - (size > 0);
                if (mode == 0) dx_cas_blake3_init(&h);
                if (mode == 1) dx_cas_blake3_init_keyed(&h, (const uint8_t *)key);
                if (mode == 2) dx_cas_blake3_init_derive(&h, context, strlen(context));
                dx_cas_blake3_update(&h, input, first);
                dx_cas_blake3_final(&h, got, 7); /* reading the hash early changes nothing */
                dx_cas_blake3_update(&h, input + first, size - first);
                for (size_t length = 1; length <= n; length += 26) {
                    memset(got, 0xee, sizeof got);
                    dx_cas_blake3_final(&h, got, length);
                    DX_CHECK_MEM(got, want, length);
                    DX_CHECK_EQ(got[length], 0xee);
                }
            }
        }
        cases++;
    }
    DX_CHECK_EQ(cases, 35);
    free(json);
}

DX_PROPERTY(ca_2_blake3_every_split, 60)
{
    static uint8_t data[9000];
    size_t size = (size_t)dx_choose(c, sizeof data), done = 0;
    dx_cas_blake3 h;
    dx_cas_id whole, parts;
    fill(data, size, size);
    dx_cas_hash(data, size, &whole);
    dx_cas_blake3_init(&h);
    while (done < size) {
        size_t n = (size_t)dx_choose_range(c, 1, size - done < 3000 ? size - done : 3000);
        dx_cas_blake3_update(&h, data + done, n);
        done += n;
    }
    dx_cas_blake3_final(&h, parts.bytes, 32);
    DX_CHECK_MEM(&whole, &parts, 32);
}

DX_TEST(ca_2_id_text)
{
    dx_cas_id a, b;
    char text[65];
    dx_cas_hash("", 0, &a);
    dx_cas_id_to_hex(&a, text);
    DX_CHECK_STR(text, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    OK(dx_cas_id_from_hex(text, &b));
    DX_CHECK(dx_cas_id_equal(&a, &b));
    OK(dx_cas_id_from_hex("AF1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", &b));
    DX_CHECK(dx_cas_id_equal(&a, &b));
    DX_CHECK_EQ(dx_cas_id_from_hex("af", &b), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_id_from_hex("", &b), DX_CAS_EINVAL);
    text[63] = 'g';
    DX_CHECK_EQ(dx_cas_id_from_hex(text, &b), DX_CAS_EINVAL);
    text[63] = '2';
    for (int i = 0; i < 64; i++) {
        char one[80];
        memcpy(one, text, 65);
        one[i] = 0;
        DX_CHECK_EQ(dx_cas_id_from_hex(one, &b), DX_CAS_EINVAL);
    }
    char longer[80] = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f32620";
    DX_CHECK_EQ(dx_cas_id_from_hex(longer, &b), DX_CAS_EINVAL);
}

DX_TEST(ca_error_names)
{
    DX_CHECK_STR(dx_cas_error_name(0), "DX_CAS_OK");
    DX_CHECK_STR(dx_cas_error_name(DX_CAS_ECORRUPT), "DX_CAS_ECORRUPT");
    DX_CHECK_STR(dx_cas_error_name(DX_CAS_EVERSION), "DX_CAS_EVERSION");
    DX_CHECK_STR(dx_cas_error_name(DX_CAS_EMOVED), "DX_CAS_EMOVED");
    DX_CHECK_STR(dx_cas_error_name(DX_CAS_ECONFLICT), "DX_CAS_ECONFLICT");
    DX_CHECK_STR(dx_cas_error_name(1), "unknown error");
    DX_CHECK_STR(dx_cas_error_name(-13), "unknown error");
    DX_CHECK_STR(dx_cas_error_name(-99), "unknown error");
    DX_CHECK_STR(dx_cas_error_name(-2147483647 - 1), "unknown error");
}

/* >>chunker ------------------------------------------------------------ */
static size_t cuts_of(dx_cas_chunker *k, const uint8_t *p, size_t size, uint32_t *cuts)
{
    size_t done = 0, n = 0;
    dx_cas_chunker_reset(k);
    while (done < size) {
        bool cut = false;
        done += dx_cas_chunker_next(k, p + done, size - done, &cut);
        if (cut || done == size) cuts[n++] = (uint32_t)done;
    }
    return n;
}

DX_PROPERTY(ck_3_every_split_cuts_alike, 60)
{
    static uint8_t data[40000];
    static uint32_t cuts[1000];
    dx_cas_chunker_desc desc = {0};
    dx_cas_chunker k;
    size_t size = (size_t)dx_choose(c, sizeof data), done = 0, n = 0, total;
    desc.size_avg = 256u << dx_choose(c, 3);
    desc.mode = (uint32_t)dx_choose(c, 1);
    fill_text(data, size, dx_choose(c, 1000));
    OK(dx_cas_chunker_init(&k, &desc));
    total = cuts_of(&k, data, size, cuts);
    dx_cas_chunker_reset(&k);
    while (done < size) {
        size_t piece = (size_t)dx_choose_range(c, 1, size - done < 2000 ? size - done : 2000);
        bool cut = false;
        size_t used = dx_cas_chunker_next(&k, data + done, piece, &cut);
        DX_CHECK(used > 0 && used <= piece);
        done += used;
        if (cut || done == size) DX_CHECK_EQ(cuts[n++], done);
    }
    DX_CHECK_EQ(n, total);
}

/* How many of b's bytes are in chunks that a has, too. */
static double reuse(dx_cas_chunker *k, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    static uint32_t ca[4096], cb[4096];
    static dx_cas_id ids[4096];
    size_t na = cuts_of(k, a, a_size, ca), nb = cuts_of(k, b, b_size, cb), same = 0;
    for (size_t i = 0; i < na; i++) {
        uint32_t from = i ? ca[i - 1] : 0;
        dx_cas_hash(a + from, ca[i] - from, &ids[i]);
    }
    for (size_t i = 0; i < nb; i++) {
        uint32_t from = i ? cb[i - 1] : 0;
        dx_cas_id id;
        dx_cas_hash(b + from, cb[i] - from, &id);
        for (size_t j = 0; j < na; j++) {
            if (dx_cas_id_equal(&id, &ids[j])) {
                same += cb[i] - from;
                break;
            }
        }
    }
    return (double)same / (double)b_size;
}

DX_TEST(w_72_ck_2_text_is_cut_and_an_inserted_byte_keeps_90_percent)
{
    size_t size = 4 << 20;
    uint8_t *a = (uint8_t *)malloc(size), *b = (uint8_t *)malloc(size + 1);
    static uint32_t cuts[4096];
    for (int text = 0; text < 2; text++) {
        dx_cas_chunker k;
        size_t n, at_max = 0;
        if (text) fill_text(a, size, 5);
        if (!text) fill(a, size, 5);
        OK(dx_cas_chunker_init(&k, NULL));
        n = cuts_of(&k, a, size, cuts);
        for (size_t i = 0; i < n; i++) {
            uint32_t length = cuts[i] - (i ? cuts[i - 1] : 0);
            DX_CHECK(length <= 262144 && (length >= 16384 || i + 1 == n));
            if (length == 262144) at_max++;
        }
        DX_CHECK(n > 40 && n < 120); /* 64 on average */
        DX_CHECK(at_max * 20 < n);
        memcpy(b, a, 1000000);
        b[1000000] = 'x';
        memcpy(b + 1000001, a + 1000000, size - 1000000);
        DX_CHECK(reuse(&k, a, size, b, size + 1) > 0.9);
        memmove(b, a + 1, size - 1); /* one byte removed at the front */
        DX_CHECK(reuse(&k, a, size, b, size - 1) > 0.9);
    }
    free(a);
    free(b);
}

DX_TEST(ck_1_fixed_chunks_and_keys_and_bad_sizes)
{
    static uint8_t data[100000];
    static uint32_t cuts[1000], other[1000];
    uint8_t key[32] = {1};
    dx_cas_chunker_desc desc = {0};
    dx_cas_chunker k;
    desc.size_avg = 999;
    desc.mode = DX_CAS_CHUNK_FIXED;
    OK(dx_cas_chunker_init(&k, &desc));
    fill(data, sizeof data, 1);
    DX_CHECK_EQ(cuts_of(&k, data, sizeof data, cuts), 101);
    DX_CHECK_EQ(cuts[0], 999);
    DX_CHECK_EQ(cuts[100], 100000);
    desc.mode = DX_CAS_CHUNK_CONTENT;
    DX_CHECK_EQ(dx_cas_chunker_init(&k, &desc), DX_CAS_EINVAL); /* not a power of two */
    desc.size_avg = 1024;
    OK(dx_cas_chunker_init(&k, &desc));
    size_t n = cuts_of(&k, data, sizeof data, cuts);
    desc.key = key;
    OK(dx_cas_chunker_init(&k, &desc));
    size_t m = cuts_of(&k, data, sizeof data, other);
    DX_CHECK(n != m || memcmp(cuts, other, n * sizeof *cuts) != 0);
    static const uint32_t bad[][3] = {{63, 1024, 4096}, {2048, 1024, 4096}, {256, 1024, 512}, {64, 128, 256},
                                      {64, 1u << 29, 0}, {64, 1024, (1u << 30) + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dx_cas_chunker_desc d = {0};
        d.size_min = bad[i][0];
        d.size_avg = bad[i][1];
        d.size_max = bad[i][2];
        DX_CHECK_EQ(dx_cas_chunker_init(&k, &d), DX_CAS_EINVAL);
    }
    desc.mode = 2;
    DX_CHECK_EQ(dx_cas_chunker_init(&k, &desc), DX_CAS_EINVAL);
}

/* >>merkle ------------------------------------------------------------- */
/* The recursive definition of RFC 6962, section 2.1, as a reference for the library. */
static void rfc6962_root(const dx_cas_id *leaves, size_t n, dx_cas_id *out)
{
    uint8_t both[65] = {1};
    size_t k = 1;
    if (n == 0) dx_cas_hash(NULL, 0, out);
    if (n == 1) *out = leaves[0];
    if (n < 2) return;
    while (k * 2 < n) k *= 2;
    rfc6962_root(leaves, k, out);
    memcpy(both + 1, out, 32);
    rfc6962_root(leaves + k, n - k, out);
    memcpy(both + 33, out, 32);
    dx_cas_hash(both, 65, out);
}

static void merkle_leaves(dx_cas_id *leaves, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t data[9] = {0, (uint8_t)i, 1, 2, 3};
        dx_cas_id want;
        dx_cas_hash(data, 5, &want);
        dx_merkle_leaf(data + 1, 4, &leaves[i]);
        DX_CHECK(dx_cas_id_equal(&want, &leaves[i]));
    }
}

DX_TEST(w_74_mk_3_every_leaf_of_every_tree_verifies_and_nothing_else)
{
    dx_cas_id leaves[70], proof[64], root, want;
    size_t n;
    merkle_leaves(leaves, 70);
    for (uint64_t count = 0; count <= 66; count++) {
        dx_merkle_root_of(leaves, count, &root);
        rfc6962_root(leaves, (size_t)count, &want);
        DX_CHECK(dx_cas_id_equal(&root, &want));
        DX_CHECK_EQ(dx_merkle_prove(leaves, count, count, proof, 64, &n), DX_CAS_EINVAL);
        for (uint64_t i = 0; i < count; i++) {
            uint8_t data[4] = {(uint8_t)i, 1, 2, 3};
            OK(dx_merkle_prove(leaves, count, i, proof, 64, &n));
            OK(dx_merkle_check(data, 4, i, count, proof, n, &root));
            DX_CHECK_EQ(dx_merkle_check(data, 4, i + 1, count, proof, n, &root), DX_CAS_ECORRUPT);
            if (i) DX_CHECK_EQ(dx_merkle_check(data, 4, i - 1, count, proof, n, &root), DX_CAS_ECORRUPT);
            data[1] ^= 1; /* a leaf is hashed from its bytes, not from a list of hashes */
            DX_CHECK_EQ(dx_merkle_check(data, 4, i, count, proof, n, &root), DX_CAS_ECORRUPT);
            data[1] ^= 1;
            DX_CHECK_EQ(dx_merkle_check(data, 4, i, count, proof, n + 1, &root), DX_CAS_ECORRUPT);
            if (n == 0) continue;
            DX_CHECK_EQ(dx_merkle_check(data, 4, i, count, proof, n - 1, &root), DX_CAS_ECORRUPT);
            DX_CHECK_EQ(dx_merkle_prove(leaves, count, i, proof, n - 1, &n), DX_CAS_ENOSPACE);
            proof[n - 1].bytes[5] ^= 4;
            DX_CHECK_EQ(dx_merkle_check(data, 4, i, count, proof, n, &root), DX_CAS_ECORRUPT);
        }
    }
}

DX_TEST(mk_3_growth_proofs)
{
    dx_cas_id leaves[70], proof[66], root, old_root;
    size_t n;
    merkle_leaves(leaves, 70);
    for (uint64_t count = 0; count <= 66; count++) {
        dx_merkle_root_of(leaves, count, &root);
        for (uint64_t old = 0; old <= count; old++) {
            dx_merkle_root_of(leaves, old, &old_root);
            OK(dx_merkle_prove_growth(leaves, count, old, proof, 66, &n));
            OK(dx_merkle_check_growth(old, &old_root, count, &root, proof, n));
            old_root.bytes[0] ^= 1;
            DX_CHECK_EQ(dx_merkle_check_growth(old, &old_root, count, &root, proof, n), DX_CAS_ECORRUPT);
            old_root.bytes[0] ^= 1;
            if (old == 0 || old == count) continue;
            root.bytes[0] ^= 1;
            DX_CHECK_EQ(dx_merkle_check_growth(old, &old_root, count, &root, proof, n), DX_CAS_ECORRUPT);
            root.bytes[0] ^= 1;
            DX_CHECK_EQ(dx_merkle_check_growth(old, &old_root, count, &root, proof, n - 1),
                        DX_CAS_ECORRUPT);
            DX_CHECK_EQ(dx_merkle_check_growth(old - 1, &old_root, count, &root, proof, n),
                        DX_CAS_ECORRUPT);
            proof[n / 2].bytes[31] ^= 0x80;
            DX_CHECK_EQ(dx_merkle_check_growth(old, &old_root, count, &root, proof, n), DX_CAS_ECORRUPT);
        }
        DX_CHECK_EQ(dx_merkle_check_growth(count + 1, &root, count, &root, NULL, 0), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_merkle_prove_growth(leaves, count, count + 1, proof, 66, &n), DX_CAS_EINVAL);
    }
}

DX_TEST(mk_5_a_leaf_changes_with_its_proof_alone)
{
    dx_cas_id leaves[40], proof[64], root, want, other;
    size_t n;
    merkle_leaves(leaves, 40);
    dx_cas_hash("other", 5, &other);
    for (uint64_t count = 1; count <= 40; count++) {
        dx_merkle_root_of(leaves, count, &root);
        for (uint64_t i = 0; i < count; i++) {
            dx_cas_id old = leaves[i], before = root;
            OK(dx_merkle_prove(leaves, count, i, proof, 64, &n));
            leaves[i] = other;
            dx_merkle_root_of(leaves, count, &want);
            DX_CHECK_EQ(dx_merkle_replace(&other, &old, i, count, proof, n, &root), DX_CAS_ECORRUPT);
            DX_CHECK_EQ(dx_merkle_replace(&old, &other, i, count, proof, n + 1, &root), DX_CAS_ECORRUPT);
            DX_CHECK_EQ(dx_merkle_replace(&old, &other, count, count, proof, n, &root), DX_CAS_ECORRUPT);
            DX_CHECK(dx_cas_id_equal(&root, &before));
            OK(dx_merkle_replace(&old, &other, i, count, proof, n, &root));
            DX_CHECK(dx_cas_id_equal(&root, &want));
            OK(dx_merkle_replace(&other, &old, i, count, proof, n, &root)); /* and back */
            DX_CHECK(dx_cas_id_equal(&root, &before));
            leaves[i] = old;
        }
    }
    DX_CHECK_EQ(dx_merkle_replace(NULL, &other, 0, 1, NULL, 0, &root), DX_CAS_EINVAL);
}

DX_TEST(mk_1_the_growing_tree_agrees)
{
    dx_cas_id leaves[70], a, b;
    dx_merkle m;
    merkle_leaves(leaves, 70);
    dx_merkle_init(&m);
    for (size_t i = 0; i < 70; i++) {
        dx_merkle_root(&m, &a);
        rfc6962_root(leaves, i, &b);
        DX_CHECK(dx_cas_id_equal(&a, &b));
        dx_merkle_add(&m, &leaves[i]);
    }
}

/* >>store: basics ------------------------------------------------------ */
DX_TEST(ca_1_put_get_dedup_stats)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id a, b, none;
    dx_cas_stats st;
    uint8_t out[300];
    size_t size = 99;
    uint64_t big;
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_READ), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_WRITE), DX_CAS_ENOTFOUND);
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "hello", 5, &a));
    OK(dx_cas_put(&s, "hello", 5, &b));
    DX_CHECK(dx_cas_id_equal(&a, &b));
    dx_cas_hash("hello", 5, &b);
    DX_CHECK(dx_cas_id_equal(&a, &b));
    OK(dx_cas_put(&s, NULL, 0, &b));
    dx_cas_get_stats(&s, &st);
    DX_CHECK_EQ(st.objects, 2);
    DX_CHECK_EQ(st.logical_bytes, 5);
    OK(dx_cas_get(&s, &a, out, sizeof out, &size));
    DX_CHECK_EQ(size, 5);
    DX_CHECK_MEM(out, "hello", 5);
    OK(dx_cas_get(&s, &b, NULL, 0, &size));
    DX_CHECK_EQ(size, 0);
    DX_CHECK_EQ(dx_cas_get(&s, &a, out, 4, &size), DX_CAS_ENOSPACE);
    DX_CHECK_EQ(size, 5);
    dx_cas_hash("other", 5, &none);
    DX_CHECK_EQ(dx_cas_get(&s, &none, out, sizeof out, &size), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_has(&s, &none), DX_CAS_ENOTFOUND);
    OK(dx_cas_has(&s, &a));
    OK(dx_cas_object_size(&s, &a, &big));
    DX_CHECK_EQ(big, 5);
    DX_CHECK_EQ(dx_cas_put(&s, out, (1 << 20) + 1, NULL), DX_CAS_ETOOBIG);
    OK(dx_cas_commit(&s));
    long calls = d->calls;
    OK(dx_cas_commit(&s)); /* no changes: no commit */
    DX_CHECK_EQ(d->calls, calls);
    dx_cas_close(&s);
    dx_cas_close(&s);
    DX_CHECK_EQ(dx_cas_put(&s, "x", 1, NULL), DX_CAS_EINVAL);
    OK(open_sim(&s, d, DX_CAS_READ));
    DX_CHECK_EQ(dx_cas_put(&s, "x", 1, NULL), DX_CAS_EREADONLY);
    DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_EREADONLY);
    OK(dx_cas_get(&s, &a, out, sizeof out, &size));
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(w_73_get_never_returns_what_does_not_hash_to_the_id)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id id;
    uint8_t out[16];
    size_t size;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "DKZ1 raw", 8, &id)); /* bytes that look like another format are only bytes */
    OK(dx_cas_commit(&s));
    OK(dx_cas_get(&s, &id, out, 16, &size));
    DX_CHECK_MEM(out, "DKZ1 raw", 8);
    d->data[128 + 64 + 3] ^= 1;
    memset(out, 0xaa, sizeof out);
    DX_CHECK_EQ(dx_cas_get(&s, &id, out, 16, &size), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s), 128);
    DX_CHECK_EQ(out[0], 0);
    dx_cas_close(&s);
    OK(open_sim(&s, d, DX_CAS_READ)); /* open does not read payloads ... */
    DX_CHECK_EQ(dx_cas_get(&s, &id, out, 16, &size), DX_CAS_ECORRUPT);
    dx_cas_close(&s);
    d->data[128 + 30] ^= 1; /* ... but every header is */
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_READ), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s), 128);
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_WRITE), DX_CAS_ECORRUPT);
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_ACCEPT_DAMAGE));
    DX_CHECK_EQ(dx_cas_put(&s, "x", 1, NULL), DX_CAS_EREADONLY);
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(ca_2_not_a_store_and_later_versions)
{
    sim *d = sim_new(4096);
    dx_cas_store s;
    uint8_t copy[128];
    memcpy(d->data, "This is a letter, not a store.", 30);
    d->size = 30;
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(d->size, 30);
    d->size = 1000;
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s), 0);
    d->size = 0;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    dx_cas_close(&s);
    memcpy(copy, d->data, 128);
    for (int field = 0; field < 3; field++) {
        memcpy(d->data, copy, 128);
        for (int i = 0; i < 2; i++) {
            uint8_t *h = d->data + 64 * i;
            h[field == 0 ? 8 : field == 1 ? 10 : 12] = 2;
            dx_cas_p_store32(h + 60, dx_cas_p_crc32c(0, h, 60));
        }
        DX_CHECK_EQ(open_sim(&s, d, DX_CAS_READ), field == 1 ? DX_CAS_ENOTSUP : DX_CAS_EVERSION);
    }
    memcpy(d->data, copy, 128);
    d->data[20] ^= 1; /* the second copy is used */
    OK(open_sim(&s, d, DX_CAS_READ));
    DX_CHECK_EQ(dx_cas_verify(&s, NULL, NULL, NULL), DX_CAS_ECORRUPT);
    dx_cas_close(&s);
    d->size = 0;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "x", 1, NULL));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    d->data[132] = 9; /* an unknown record type, well-formed */
    dx_cas_p_store32(d->data + 188, dx_cas_p_head_crc(128, d->data + 128));
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_READ), DX_CAS_EVERSION);
    sim_free(d);
}

DX_TEST(ca_bad_arguments)
{
    sim *d = sim_new(1 << 16);
    dx_cas_store s;
    dx_cas_desc desc = {0};
    DX_CHECK_EQ(dx_cas_open(&s, NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_EINVAL);
    desc.device = sim_device(d);
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_EINVAL);
    desc.memory = store_memory;
    desc.memory_size = 100;
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_ENOMEM);
    DX_CHECK(dx_cas_memory_needed(&s) > 100);
    desc.memory_size = dx_cas_memory_needed(&s);
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_ENOTFOUND);
    desc.align = 24;
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_EINVAL);
    desc.align = 8192;
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_EINVAL);
    desc.align = 0;
    desc.mode = 64;
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_memory_size(&desc) > 65536 * 16, true);
    desc.objects_max = UINT64_MAX;
    DX_CHECK_EQ(dx_cas_memory_size(&desc), 0);
    dx_cas_close(NULL);
    sim_free(d);
}

/* >>store: names ------------------------------------------------------- */
DX_TEST(md_1_names_versions_history)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id id;
    dx_cas_ref r, back;
    uint64_t v = 0, cursor = 0;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "one", 3, &id));
    r = make_ref("a/\xc3\xa4.txt", &id, 3);
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 1, &v), DX_CAS_ECONFLICT);
    for (uint64_t i = 1; i <= 5; i++) {
        r.time_ns = i;
        OK(dx_cas_ref_set(&s, &r, i - 1, &v));
        DX_CHECK_EQ(v, i);
        DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 0, &v), DX_CAS_ECONFLICT);
    }
    OK(dx_cas_ref_get(&s, r.name, 0, &back));
    DX_CHECK_EQ(back.version, 5);
    DX_CHECK_EQ(back.kind, 7);
    DX_CHECK_EQ(back.info_size, 3);
    DX_CHECK_MEM(back.info, "abc", 3);
    DX_CHECK_STR(back.name, r.name);
    for (uint64_t i = 4; i >= 1; i--) {
        OK(dx_cas_ref_previous(&s, &back));
        DX_CHECK_EQ(back.version, i);
        DX_CHECK_EQ(back.time_ns, i);
    }
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &back), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_get(&s, r.name, 2, &back));
    DX_CHECK_EQ(back.time_ns, 2);
    DX_CHECK_EQ(dx_cas_ref_get(&s, r.name, 6, &back), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_trim(&s, r.name, 6), DX_CAS_EINVAL);
    OK(dx_cas_ref_trim(&s, r.name, 3));
    OK(dx_cas_ref_trim(&s, r.name, 2)); /* nothing to trim */
    DX_CHECK_EQ(dx_cas_ref_get(&s, r.name, 2, &back), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_get(&s, r.name, 3, &back));
    DX_CHECK_EQ(back.oldest, 3);
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &back), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_set(&s, &r, 5, &v));
    DX_CHECK_EQ(v, 6);
    OK(dx_cas_ref_get(&s, r.name, 0, &back));
    DX_CHECK_EQ(back.oldest, 3);
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    OK(open_sim(&s, d, DX_CAS_WRITE));
    OK(dx_cas_ref_next(&s, &cursor, &back));
    DX_CHECK_EQ(back.version, 6);
    DX_CHECK_EQ(dx_cas_ref_next(&s, &cursor, &back), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_delete(&s, r.name, 5), DX_CAS_ECONFLICT);
    OK(dx_cas_ref_delete(&s, r.name, DX_CAS_ANY_VERSION));
    DX_CHECK_EQ(dx_cas_ref_delete(&s, r.name, DX_CAS_ANY_VERSION), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_trim(&s, r.name, 1), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_get(&s, r.name, 0, &back), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_get(&s, r.name, 6, &back), DX_CAS_ENOTFOUND);
    cursor = 0;
    DX_CHECK_EQ(dx_cas_ref_next(&s, &cursor, &back), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_set(&s, &r, 0, &v));
    DX_CHECK_EQ(v, 7);
    OK(dx_cas_ref_get(&s, r.name, 0, &back));
    DX_CHECK_EQ(back.oldest, 7);
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &back), DX_CAS_ENOTFOUND);
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(md_1_numbers_of_another_store)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id id;
    dx_cas_ref r, back;
    uint64_t v = 0;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "one", 3, &id));
    r = make_ref("a", &id, 3);
    OK(dx_cas_ref_set_as(&s, &r, 0, 17));
    DX_CHECK_EQ(dx_cas_ref_set_as(&s, &r, 0, 18), DX_CAS_ECONFLICT);
    DX_CHECK_EQ(dx_cas_ref_set_as(&s, &r, 17, 17), DX_CAS_ECONFLICT);
    DX_CHECK_EQ(dx_cas_ref_set_as(&s, &r, 17, UINT64_MAX - 2), DX_CAS_EINVAL);
    r.time_ns = 4;
    OK(dx_cas_ref_set_as(&s, &r, 17, 40));
    OK(dx_cas_ref_set(&s, &r, 40, &v));
    DX_CHECK_EQ(v, 41);
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    OK(open_sim(&s, d, DX_CAS_WRITE));
    OK(dx_cas_ref_get(&s, r.name, 0, &back));
    OK(dx_cas_ref_previous(&s, &back));
    DX_CHECK_EQ(back.version, 40);
    OK(dx_cas_ref_previous(&s, &back));
    DX_CHECK_EQ(back.version, 17);
    DX_CHECK_EQ(back.oldest, 17);
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &back), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_ref_get(&s, r.name, 18, &back), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_delete(&s, r.name, 41));
    DX_CHECK_EQ(dx_cas_ref_set_as(&s, &r, 0, 41), DX_CAS_ECONFLICT);
    OK(dx_cas_ref_set_as(&s, &r, 0, UINT64_MAX - 3));
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, DX_CAS_ANY_VERSION, &v), 0);
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, DX_CAS_ANY_VERSION, &v), DX_CAS_ETOOBIG);
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(md_2_name_rules)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id id;
    dx_cas_ref r;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "one", 3, &id));
    static const char *good[] = {"a", "x y", "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *bad[] = {"", "\n", "a\x7f", "\x1f", "\xc2\x80", "\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xe2\x82",
                                "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\xaf", "\xf8\x88\x80\x80\x80",
                                "\xff", "a\xc3", "\xc3("};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        r = make_ref(good[i], &id, 3);
        OK(dx_cas_ref_set(&s, &r, 0, NULL));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = make_ref(bad[i], &id, 3);
        DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 0, NULL), DX_CAS_EINVAL);
    }
    r = make_ref("a", &id, 3);
    memset(r.name, 'n', 255);
    r.name[255] = 0;
    OK(dx_cas_ref_set(&s, &r, 0, NULL));
    r.name[255] = 'n';
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 0, NULL), DX_CAS_EINVAL);
    r = make_ref("b", &id, 3);
    r.info_size = 65;
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 0, NULL), DX_CAS_EINVAL);
    r.info_size = 64;
    r.root.bytes[0] ^= 1;
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, 0, NULL), DX_CAS_ENOTFOUND); /* the root object must exist */
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
    sim_free(d);
}

/* >>store: index ------------------------------------------------------- */
DX_TEST(ca_1_a_full_index_says_so_and_grows)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_desc desc = {0};
    dx_cas_id id;
    int error = DX_CAS_OK;
    uint32_t n = 0, grown = 0;
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.objects_max = 20;
    desc.memory_size = dx_cas_memory_size(&desc);
    OK(dx_cas_open(&s, &desc));
    for (n = 0; n < 2000; n++) {
        error = dx_cas_put(&s, &n, 4, &id);
        if (error == DX_CAS_ENOMEM) {
            size_t need = dx_cas_memory_needed(&s);
            uint64_t size = d->size;
            DX_CHECK_EQ(dx_cas_grow(&s, store_memory2, 100), DX_CAS_ENOMEM);
            OK(dx_cas_grow(&s, (uint8_t *)(grown & 1 ? store_memory : store_memory2) + grown % 8, need));
            DX_CHECK_EQ(d->size, size);
            grown++;
            error = dx_cas_put(&s, &n, 4, &id);
        }
        OK(error);
    }
    DX_CHECK(grown >= 3 && grown < 12);
    for (uint32_t i = 0; i < n; i++) {
        dx_cas_hash(&i, 4, &id);
        OK(dx_cas_has(&s, &id));
    }
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_ENOMEM);
    desc.memory_size = dx_cas_memory_needed(&s);
    DX_CHECK(desc.memory_size < sizeof store_memory);
    OK(dx_cas_open(&s, &desc));
    for (uint32_t i = 0; i < n; i++) {
        dx_cas_hash(&i, 4, &id);
        OK(dx_cas_has(&s, &id));
    }
    dx_cas_close(&s);
    sim_free(d);
}

static int grow_calls, blocks_out;

static void *grow_block(void *user, void *old, size_t size)
{
    (void)user;
    if (size == 0) {
        if (old != store_memory) {
            free(old);
            blocks_out--;
        }
        return NULL;
    }
    grow_calls++;
    blocks_out++;
    return malloc(size);
}

DX_TEST(ca_1_the_grow_function_is_asked)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_desc desc = {0};
    dx_cas_id id;
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 34000;
    desc.grow = grow_block;
    for (int round = 0; round < 2; round++) {
        OK(dx_cas_open(&s, &desc));
        for (uint32_t n = 0; n < 2000; n++) OK(dx_cas_put(&s, &n, 4, &id));
        dx_cas_ref r = make_ref("n", &id, 4);
        OK(dx_cas_ref_set(&s, &r, DX_CAS_ANY_VERSION, NULL));
        OK(dx_cas_commit(&s));
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        if (s.desc_.memory != store_memory) grow_block(NULL, s.desc_.memory, 0);
        dx_cas_close(&s);
    }
    DX_CHECK(grow_calls >= 4);
    DX_CHECK_EQ(blocks_out, 0);
    sim_free(d);
}

/* >>store: crashes ----------------------------------------------------- */
/* Transaction t puts a few objects whose content depends on t, names the first, and changes some names. */
static size_t object_of(unsigned t, unsigned i, uint8_t *out)
{
    static const size_t sizes[] = {11, 0, 300, 3, 64};
    size_t size = sizes[(t + i) % 5];
    fill(out, size, t * 100 + i);
    return size;
}

static int transaction(dx_cas_store *s, unsigned t)
{
    uint8_t bytes[400];
    dx_cas_id id, root;
    dx_cas_ref r;
    int error = DX_CAS_OK;
    for (unsigned i = 0; error == DX_CAS_OK && i < 3; i++) {
        size_t size = object_of(t, i, bytes);
        error = dx_cas_put(s, bytes, size, i ? &id : &root);
    }
    if (error != DX_CAS_OK) return error;
    r = make_ref("a", &root, t);
    error = dx_cas_ref_set(s, &r, t - 1, NULL);
    r = make_ref("b", &id, t);
    if (error == DX_CAS_OK && t % 2) error = dx_cas_ref_set(s, &r, 0, NULL);
    if (error == DX_CAS_OK && t % 2 == 0) error = dx_cas_ref_delete(s, "b", DX_CAS_ANY_VERSION);
    if (error == DX_CAS_OK && t == 4) error = dx_cas_ref_trim(s, "a", 2);
    return error == DX_CAS_OK ? dx_cas_commit(s) : error;
}

/* The number of transactions in an open store; fails unless each of them is complete. */
static unsigned state_of(dx_cas_store *s, unsigned most)
{
    dx_cas_ref r;
    int error = dx_cas_ref_get(s, "a", 0, &r);
    unsigned k = error == DX_CAS_OK ? (unsigned)r.version : 0;
    DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ENOTFOUND);
    DX_CHECK(k <= most);
    for (unsigned t = 1; t <= most; t++) {
        uint8_t bytes[400], out[400];
        dx_cas_id id;
        size_t got;
        for (unsigned i = 0; i < 3; i++) {
            size_t size = object_of(t, i, bytes);
            dx_cas_hash(bytes, size, &id);
            error = dx_cas_get(s, &id, out, sizeof out, &got);
            if (size && t > k) DX_CHECK_EQ(error, DX_CAS_ENOTFOUND);
            if (t > k) continue;
            DX_CHECK_EQ(error, DX_CAS_OK);
            DX_CHECK_EQ(got, size);
            DX_CHECK_MEM(out, bytes, size);
        }
    }
    DX_CHECK_EQ(dx_cas_ref_get(s, "b", 0, &r), k % 2 ? DX_CAS_OK : DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(s->tip_.sequence, k);
    return k;
}

enum { ROUNDS = 5 };

/* After a power cut, the device must open for a reader and a writer, hold the state of an allowed commit, have no damage, and
   accept further writes. */
static unsigned check_after_cut(sim *d, unsigned least, unsigned most)
{
    dx_cas_store s;
    unsigned k = 0;
    size_t size = d->size;
    int error = open_sim(&s, d, DX_CAS_READ);
    DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ENOTFOUND);
    if (error == DX_CAS_OK) k = state_of(&s, ROUNDS);
    DX_CHECK_EQ(d->size, size); /* a reader writes nothing */
    DX_CHECK(k >= least && k <= most);
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    DX_CHECK_EQ(state_of(&s, ROUNDS), k);
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    if (k < ROUNDS) OK(transaction(&s, k + 1));
    dx_cas_close(&s);
    OK(open_sim(&s, d, DX_CAS_READ));
    DX_CHECK_EQ(state_of(&s, ROUNDS), k < ROUNDS ? k + 1 : k);
    dx_cas_close(&s);
    return k;
}

static sim *recorded_run(size_t *ack_ops)
{
    sim *d = sim_new(16384);
    dx_cas_store s;
    d->record = true;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    ack_ops[0] = 0;
    for (unsigned t = 1; t <= ROUNDS; t++) {
        OK(transaction(&s, t));
        ack_ops[t] = d->op_count; /* all ops before this one were complete when commit t returned */
    }
    dx_cas_close(&s);
    return d;
}

/* Run a test at each durability level, or at some of them. */
static void at_each_level(void (*test)(void), size_t step)
{
    static const uint32_t levels[][2] = {{DX_CAS_FULL, 0}, {DX_CAS_BARRIER, 0}, {DX_CAS_NONE, 1000}, {DX_CAS_FULL_ONCE, 1000},
                                         {DX_CAS_FULL, 1000}, {DX_CAS_FULL_ONCE, 0}, {DX_CAS_NONE, 0}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i += step) {
        level_durability = levels[i][0];
        level_preallocate = levels[i][1];
        test();
    }
    level_durability = level_preallocate = 0;
}

static void replay(sim *to, const sim_op *o, size_t bytes)
{
    if (o->kind == SIM_WRITE) sim_apply(to, o->offset, o->data, bytes);
    if (o->kind == SIM_TRUNCATE && o->offset < to->size) to->size = (size_t)o->offset;
}

static unsigned acked(const size_t *ack_ops, size_t ops)
{
    unsigned t = 0;
    while (t < ROUNDS && ack_ops[t + 1] <= ops) t++;
    return t;
}

static void kill_at_every_byte(void)
{
    size_t ack_ops[ROUNDS + 1];
    sim *d = recorded_run(ack_ops), *base = sim_new(16384), *cut = sim_new(16384);
    size_t cuts = 0;
    for (size_t i = 0; i < d->op_count; i++) {
        const sim_op *o = &d->ops[i];
        unsigned done = acked(ack_ops, i);
        for (size_t n = 0; n <= o->size; n++) {
            memcpy(cut->data, base->data, base->size);
            cut->size = base->size;
            replay(cut, o, n);
            check_after_cut(cut, done, done + 1);
            cuts++;
        }
        replay(base, o, o->size);
    }
    DX_CHECK_EQ(base->size, d->size);
    DX_CHECK(cuts > 3000);
    sim_free(d);
    sim_free(base);
    sim_free(cut);
}

DX_TEST(w_76_a_kill_at_every_byte_leaves_a_committed_state) { at_each_level(kill_at_every_byte, 3); }

/* Unsynced writes survive in full, in part, or not at all; after a partial one, any bytes may follow. */
static void replay_cut(sim *to, const sim_op *o, bool through, uint64_t *seed)
{
    size_t keep = dx_test_random(seed) % 4 ? o->size : (size_t)(dx_test_random(seed) % (o->size + 1));
    if (!through) return;
    replay(to, o, keep);
    if (o->kind == SIM_WRITE && keep < o->size && dx_test_random(seed) % 4 == 0) {
        uint8_t stale[8];
        fill(stale, sizeof stale, dx_test_random(seed));
        sim_apply(to, o->offset + keep, stale, 1 + (o->size - keep - 1) % 8);
    }
}

static void lose_unsynced_writes(void)
{
    size_t ack_ops[ROUNDS + 1], synced = 0;
    sim *d = recorded_run(ack_ops), *cut = sim_new(16384);
    uint64_t seed = 1;
    for (size_t i = 0; i <= d->op_count; i++) { /* the cut is before op i */
        size_t pending = i - synced;
        unsigned done = acked(ack_ops, i);
        for (uint64_t mask = 0; mask < ((uint64_t)1 << (pending < 7 ? pending : 7)); mask++) {
            cut->size = 0;
            memset(cut->data, 0, cut->capacity);
            for (size_t j = 0; j < i; j++) {
                bool through = j < synced || (j - synced < 7 ? mask >> (j - synced) & 1 : dx_test_random(&seed) % 8 != 0);
                if (j < synced) replay(cut, &d->ops[j], d->ops[j].size);
                else replay_cut(cut, &d->ops[j], through, &seed);
            }
            check_after_cut(cut, level_durability == DX_CAS_NONE ? 0 : done, done + 1);
        }
        if (i < d->op_count && d->ops[i].kind == SIM_SYNC) synced = i + 1;
    }
    sim_free(d);
    sim_free(cut);
}

DX_TEST(w_76_a_power_cut_may_lose_any_unsynced_write) { at_each_level(lose_unsynced_writes, 1); }

static void truncate_at_every_byte(void)
{
    size_t ack_ops[ROUNDS + 1];
    sim *d = recorded_run(ack_ops), *cut = sim_new(16384);
    unsigned last = 0;
    for (size_t size = 0; size <= d->size; size++) {
        dx_cas_store s;
        unsigned k = 0;
        memcpy(cut->data, d->data, size);
        cut->size = size;
        int error = open_sim(&s, cut, DX_CAS_READ);
        DX_CHECK_EQ(error, size < 128 ? DX_CAS_ENOTFOUND : DX_CAS_OK);
        if (error == DX_CAS_OK) {
            k = state_of(&s, ROUNDS);
            OK(dx_cas_verify(&s, NULL, NULL, NULL) == DX_CAS_ECORRUPT ? DX_CAS_OK : DX_CAS_OK);
        }
        DX_CHECK(k >= last && k <= last + 1);
        last = k;
        dx_cas_close(&s);
    }
    DX_CHECK_EQ(last, ROUNDS);
    sim_free(d);
    sim_free(cut);
}

DX_TEST(ca_every_truncation_opens_as_an_older_state) { at_each_level(truncate_at_every_byte, 1); }

/* >>store: damage ------------------------------------------------------ */
static int count_damage(void *user, const dx_cas_damage *damage)
{
    dx_cas_damage *seen = (dx_cas_damage *)user;
    *seen = *damage;
    return 0;
}

/* Any single damaged byte: verify finds and locates it, nothing silently reverts to an older state, and everything except the
   record of that byte stays readable. */
DX_TEST(w_75_every_single_byte_flip_is_found_and_the_rest_is_readable)
{
    size_t ack_ops[ROUNDS + 1];
    sim *d = recorded_run(ack_ops);
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    for (size_t at = 0; at < d->size; at++) {
        for (size_t f = at % 3; f < sizeof flips; f += 3) {
            dx_cas_store s;
            dx_cas_ref r;
            dx_cas_damage seen = {0};
            dx_cas_report report;
            unsigned lost = 0;
            d->data[at] ^= flips[f];
            int error = open_sim(&s, d, DX_CAS_READ);
            DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ECORRUPT);
            if (error == DX_CAS_OK) { /* then no name is older than before */
                int e = dx_cas_ref_get(&s, "a", 0, &r);
                DX_CHECK(e == DX_CAS_OK && r.version == ROUNDS);
            } else {
                DX_CHECK(dx_cas_damage_offset(&s) <= at && at - dx_cas_damage_offset(&s) < 600);
            }
            OK(open_sim(&s, d, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE));
            DX_CHECK_EQ(s.tip_.sequence, ROUNDS);
            for (unsigned t = 1; t <= ROUNDS; t++) {
                for (unsigned i = 0; i < 3; i++) {
                    uint8_t bytes[400], out[400];
                    dx_cas_id id;
                    size_t got, size = object_of(t, i, bytes);
                    dx_cas_hash(bytes, size, &id);
                    int e = dx_cas_get(&s, &id, out, sizeof out, &got);
                    if (e != DX_CAS_OK && size) lost++;
                    DX_CHECK(e == DX_CAS_OK || e == DX_CAS_ECORRUPT || e == DX_CAS_ENOTFOUND);
                    if (e == DX_CAS_OK) DX_CHECK_MEM(out, bytes, size);
                }
            }
            DX_CHECK(lost <= 1);
            DX_CHECK_EQ(dx_cas_verify(&s, count_damage, &seen, &report), DX_CAS_ECORRUPT);
            DX_CHECK(report.damaged >= 1 && seen.kind != 0);
            dx_cas_close(&s);
            d->data[at] ^= flips[f];
        }
    }
    dx_cas_store s;
    OK(open_sim(&s, d, DX_CAS_READ));
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    sim_free(d);
}

DX_PROPERTY(w_75_holes_and_foreign_bytes_never_harm, 300)
{
    size_t ack_ops[ROUNDS + 1];
    sim *d = recorded_run(ack_ops);
    dx_cas_store s;
    size_t at = (size_t)dx_choose(c, d->size - 1), size = (size_t)dx_choose_range(c, 1, 400), from;
    if (size > d->size - at) size = d->size - at;
    switch (dx_choose(c, 2)) {
    case 0: memset(d->data + at, 0, size); break;
    case 1: fill(d->data + at, size, at); break;
    default:
        from = (size_t)dx_choose(c, d->size - size);
        memmove(d->data + at, d->data + from, size); /* valid records of the same store, misdirected */
    }
    int error = open_sim(&s, d, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
    if (error == DX_CAS_OK) {
        uint64_t cursor = 0;
        dx_cas_ref r;
        uint8_t out[400];
        size_t got;
        int e;
        while ((e = dx_cas_ref_next(&s, &cursor, &r)) == DX_CAS_OK || e == DX_CAS_ECORRUPT) {
            if (e == DX_CAS_OK) (void)dx_cas_get(&s, &r.root, out, sizeof out, &got);
        }
        (void)dx_cas_verify(&s, NULL, NULL, NULL);
        dx_cas_close(&s);
    } else {
        DX_CHECK(error == DX_CAS_ECORRUPT || error == DX_CAS_ENOTFOUND);
    }
    sim_free(d);
}

DX_TEST(w_75_verify_names_each_damaged_object)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id ids[3];
    dx_cas_damage seen = {0};
    dx_cas_report report;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    for (uint64_t i = 0; i < 3; i++) OK(dx_cas_put(&s, &i, 8, &ids[i]));
    OK(dx_cas_commit(&s));
    OK(dx_cas_verify(&s, count_damage, &seen, &report));
    DX_CHECK_EQ(report.objects, 3);
    DX_CHECK_EQ(report.commits, 1);
    d->data[128 + 72 + 64] ^= 8; /* the second object's payload */
    DX_CHECK_EQ(dx_cas_verify(&s, count_damage, &seen, &report), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(report.damaged, 1);
    DX_CHECK_EQ(seen.kind, DX_CAS_DAMAGE_OBJECT);
    DX_CHECK_EQ(seen.offset, 128 + 72);
    DX_CHECK(dx_cas_id_equal(&seen.id, &ids[1]));
    dx_cas_close(&s);
    sim_free(d);
}

/* >>store: a failing device -------------------------------------------- */
static int whole_script(sim *d, unsigned *acks)
{
    dx_cas_store s;
    int error = open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE);
    for (unsigned t = 1; error == DX_CAS_OK && t <= ROUNDS; t++) {
        error = transaction(&s, t);
        if (error == DX_CAS_OK) *acks = t;
    }
    dx_cas_close(&s);
    return error;
}

static void fail_every_call(void)
{
    for (int once = 0; once < 2; once++) {
        for (long n = 1;; n++) {
            sim *d = sim_new(16384);
            unsigned acks = 0;
            d->fail_at = n;
            d->fail_once = once;
            int error = whole_script(d, &acks);
            bool reached = d->calls >= n;
            if (reached) DX_CHECK(error == DX_CAS_ESYS || (once && error == DX_CAS_OK));
            d->fail_at = 0;
            check_after_cut(d, acks, acks + 1 < ROUNDS ? acks + 1 : ROUNDS);
            sim_free(d);
            if (!reached) {
                OK(error);
                break;
            }
        }
    }
}

DX_TEST(ca_the_nth_device_call_fails) { at_each_level(fail_every_call, 1); }

static void fill_the_device(void)
{
    for (size_t limit = 1; limit < 8000; limit += 37) {
        sim *d = sim_new(16384);
        unsigned acks = 0;
        d->limit = limit;
        int error = whole_script(d, &acks);
        DX_CHECK(error == DX_CAS_ENOSPACE || acks == ROUNDS);
        d->limit = 0;
        check_after_cut(d, acks, acks);
        sim_free(d);
    }
}

DX_TEST(ca_a_full_device_is_reported_and_nothing_is_lost) { at_each_level(fill_the_device, 1); }

DX_TEST(ca_put_goes_on_after_a_full_device)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    dx_cas_id big, small;
    static uint8_t bytes[60000];
    d->limit = 50000;
    fill(bytes, sizeof bytes, 3);
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    DX_CHECK_EQ(dx_cas_put(&s, bytes, sizeof bytes, &big), DX_CAS_ENOSPACE);
    DX_CHECK_EQ(d->size, 128); /* the partial write was taken back */
    OK(dx_cas_put(&s, bytes, 100, &small));
    OK(dx_cas_commit(&s));
    DX_CHECK_EQ(dx_cas_has(&s, &big), DX_CAS_ENOTFOUND);
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
    sim_free(d);
}

static void fail_a_commit(void)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "x", 1, NULL));
    d->fail_at = d->calls + 1;
    d->fail_once = true;
    DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_ESYS);
    DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_EFAILED); /* a second sync proves nothing about the first one */
    DX_CHECK_EQ(dx_cas_put(&s, "y", 1, NULL), DX_CAS_EFAILED);
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(ca_a_failed_commit_stops_the_writer) { at_each_level(fail_a_commit, 1); }

static int barriers;
static int sim_barrier(void *user)
{
    barriers++;
    (void)user;
    return DX_CAS_OK;
}

static size_t syncs_of(const sim *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->op_count; i++) n += d->ops[i].kind == SIM_SYNC;
    return n;
}

DX_TEST(ca_a_commit_costs_the_syncs_that_its_level_says)
{
    static const size_t syncs[] = {2, 1, 0, 0};
    for (uint32_t level = DX_CAS_FULL; level <= DX_CAS_NONE; level++) {
        sim *d = sim_new(12 << 20);
        dx_cas_device v = sim_device(d);
        dx_cas_store s;
        static uint8_t large[1 << 20];
        v.barrier = sim_barrier;
        level_durability = level;
        OK(open_on(&s, v, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(dx_cas_commit(&s)); /* no changes: no commit */
        d->record = true;
        barriers = 0;
        OK(dx_cas_put(&s, "x", 1, NULL));
        OK(dx_cas_commit(&s));
        DX_CHECK_EQ(syncs_of(d), syncs[level]);
        DX_CHECK_EQ(barriers, level == DX_CAS_BARRIER);
        for (unsigned i = 0; i < 5; i++) { /* above 4 MiB, data that would be hashed again is synced first */
            large[0] = (uint8_t)i;
            OK(dx_cas_put(&s, large, sizeof large, NULL));
        }
        OK(dx_cas_commit(&s));
        DX_CHECK_EQ(syncs_of(d), syncs[level] + (level < DX_CAS_BARRIER ? 2 : 0));
        DX_CHECK_EQ(barriers, level == DX_CAS_BARRIER ? 3 : 0);
        dx_cas_close(&s);
        long reads = d->reads;
        OK(open_on(&s, v, DX_CAS_READ));
        DX_CHECK(level >= DX_CAS_BARRIER ? d->reads - reads > 150 : d->reads - reads < 60);
        DX_CHECK_EQ(s.tip_.sequence, 2);
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        dx_cas_close(&s);
        sim_free(d);
    }
    level_durability = DX_CAS_FULL;
}

DX_TEST(ca_a_store_that_was_created_without_levels_syncs_twice)
{
    sim *d = sim_new(16384);
    dx_cas_store s;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    dx_cas_close(&s);
    DX_CHECK_EQ(d->data[12], 0);
    for (level_durability = DX_CAS_FULL_ONCE; level_durability <= DX_CAS_NONE; level_durability++) {
        OK(open_sim(&s, d, DX_CAS_WRITE));
        d->record = true;
        size_t before = syncs_of(d);
        OK(dx_cas_put(&s, &level_durability, 4, NULL));
        OK(dx_cas_commit(&s));
        DX_CHECK_EQ(syncs_of(d), before + 2);
        DX_CHECK_EQ(s.tip_.marks, 0);
        dx_cas_close(&s);
    }
    DX_CHECK_EQ(open_sim(&s, d, DX_CAS_WRITE), DX_CAS_EINVAL); /* no such level */
    level_durability = DX_CAS_FULL;
    sim_free(d);
}

/* With a single sync, damage of the last commit looks like a power cut, but damage before it does not. */
DX_TEST(w_75_a_flip_in_a_store_of_one_sync_is_found_or_takes_the_last_commit_back)
{
    size_t ack_ops[ROUNDS + 1], last = 0;
    level_durability = DX_CAS_FULL_ONCE;
    sim *d = recorded_run(ack_ops);
    dx_cas_store s;
    for (size_t i = 0; i < ack_ops[ROUNDS - 1]; i++) {
        if (d->ops[i].kind == SIM_WRITE) last = (size_t)d->ops[i].offset + d->ops[i].size;
    }
    for (size_t at = 0; at < d->size; at++) {
        d->data[at] ^= 0x40;
        int error = open_sim(&s, d, DX_CAS_READ);
        if (error == DX_CAS_OK) {
            unsigned k = (unsigned)s.tip_.sequence;
            DX_CHECK(k == ROUNDS || (k == ROUNDS - 1 && at >= last));
            error = dx_cas_verify(&s, NULL, NULL, NULL);
            DX_CHECK(k < ROUNDS || error == DX_CAS_ECORRUPT);
        } else {
            DX_CHECK_EQ(error, DX_CAS_ECORRUPT);
            DX_CHECK(at < last);
        }
        dx_cas_close(&s);
        d->data[at] ^= 0x40;
    }
    level_durability = DX_CAS_FULL;
    sim_free(d);
}

/* A commit that could not be synced is cut off. A reader that saw it must be told to reopen, not that the store is damaged. */
DX_TEST(ca_a_reader_of_a_commit_that_was_taken_back_opens_again)
{
    for (unsigned how = 0; how < 2; how++) {
        sim *d = sim_new(16384), *seen = sim_new(16384);
        dx_cas_store w, r;
        dx_cas_id id, other;
        uint8_t out[64];
        size_t got;
        OK(open_sim(&w, d, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(transaction(&w, 1));
        OK(open_second(&r, d, DX_CAS_READ));
        OK(dx_cas_put(&w, "taken back", 10, &id));
        d->record = true;
        d->op_count = 0;
        d->fail_at = d->calls + 3; /* sync, write, then the last sync */
        d->fail_once = true;
        memcpy(seen->data, d->data, seen->size = d->size);
        DX_CHECK_EQ(dx_cas_commit(&w), DX_CAS_ESYS);
        DX_CHECK_EQ(d->op_count, 3); /* sync, write, truncate */
        replay(seen, &d->ops[1], d->ops[1].size);
        d->record = false;
        r.desc_.device = sim_device(seen); /* the reader's view before the commit was taken back */
        OK(dx_cas_refresh(&r));
        OK(dx_cas_get(&r, &id, out, sizeof out, &got));
        r.desc_.device = sim_device(d);
        dx_cas_close(&w);
        d->fail_at = 0;
        if (how == 1) { /* and a writer continues */
            OK(open_sim(&w, d, DX_CAS_WRITE));
            OK(dx_cas_put(&w, "something else", 14, &other));
            OK(transaction(&w, 2));
            OK(transaction(&w, 3));
        }
        int error = dx_cas_get(&r, &id, out, sizeof out, &got);
        DX_CHECK(error == DX_CAS_EAGAIN || (how == 0 && error == DX_CAS_OK));
        DX_CHECK_EQ(dx_cas_refresh(&r), DX_CAS_EAGAIN);
        DX_CHECK_EQ(dx_cas_refresh(&r), DX_CAS_EAGAIN);
        dx_cas_close(&r);
        OK(open_second(&r, d, DX_CAS_READ));
        DX_CHECK_EQ(dx_cas_has(&r, &id), DX_CAS_ENOTFOUND);
        dx_cas_close(&r);
        dx_cas_close(&w);
        sim_free(d);
        sim_free(seen);
    }
}

/* With reserved space, deletions and their commits succeed on a full device, and live data can be collected to another one. */
DX_TEST(ca_a_full_device_never_blocks_deletion_or_collection)
{
    for (uint32_t level = DX_CAS_FULL; level <= DX_CAS_NONE; level++) {
        sim *d = sim_new(1 << 20), *to = sim_new(1 << 20);
        dx_cas_store s, fresh;
        dx_cas_id id;
        dx_cas_ref r;
        char name[8];
        unsigned n, i;
        int error = DX_CAS_OK;
        d->limit = 150000 + level * 1234;
        level_durability = level;
        level_preallocate = 32768;
        OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
        for (n = 0; error == DX_CAS_OK; n++) {
            uint8_t bytes[1500];
            fill(bytes, sizeof bytes, n);
            snprintf(name, sizeof name, "n%u", n);
            error = dx_cas_put(&s, bytes, sizeof bytes, &id);
            r = make_ref(name, &id, n);
            if (error == DX_CAS_OK) error = dx_cas_ref_set(&s, &r, 0, NULL);
            if (error == DX_CAS_OK) error = dx_cas_commit(&s);
        }
        DX_CHECK_EQ(error, DX_CAS_ENOSPACE);
        DX_CHECK(n > 50);
        for (i = 0; i + 2 < n && i < 30; i++) {
            snprintf(name, sizeof name, "n%u", i);
            OK(dx_cas_ref_delete(&s, name, DX_CAS_ANY_VERSION));
            OK(dx_cas_commit(&s));
        }
        DX_CHECK_EQ(dx_cas_put(&s, "still full, and it is known so", 30, NULL), DX_CAS_ENOSPACE);
        OK(open_second(&fresh, to, DX_CAS_WRITE | DX_CAS_CREATE));
        error = dx_cas_compact_into(&s, &fresh);
        if (error == DX_CAS_ENOMEM) DX_CHECK(false);
        OK(error);
        OK(dx_cas_retire(&s));
        dx_cas_close(&s);
        OK(dx_cas_put(&fresh, "room again", 10, NULL));
        OK(dx_cas_commit(&fresh));
        OK(dx_cas_verify(&fresh, NULL, NULL, NULL));
        DX_CHECK(fresh.end_ < d->size);
        dx_cas_close(&fresh);
        OK(open_sim(&s, d, DX_CAS_WRITE));
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        dx_cas_close(&s);
        sim_free(d);
        sim_free(to);
    }
    level_durability = level_preallocate = 0;
}

DX_TEST(ca_a_commit_into_preallocated_room_changes_no_size)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store s;
    size_t changes = 0;
    level_durability = DX_CAS_FULL_ONCE;
    level_preallocate = 16 << 10;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned i = 0; i < 100; i++) {
        uint8_t bytes[1024];
        size_t size = d->size;
        fill(bytes, sizeof bytes, i);
        OK(dx_cas_put(&s, bytes, sizeof bytes, NULL));
        OK(dx_cas_commit(&s));
        changes += d->size != size;
        if (i == 50) { /* the next writer still has the space */
            dx_cas_close(&s);
            size = d->size;
            OK(open_sim(&s, d, DX_CAS_WRITE));
            DX_CHECK_EQ(d->size, size);
        }
    }
    DX_CHECK(changes <= 1 + 100 * (1024 + 64 + 128) / (8 << 10));
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
    level_durability = level_preallocate = 0;
    OK(open_sim(&s, d, DX_CAS_WRITE)); /* a writer without a reserve cuts it off */
    DX_CHECK_EQ(d->size, s.end_);
    dx_cas_close(&s);
    sim_free(d);
}

/* >>store: against a model --------------------------------------------- */
typedef struct model_name {
    uint64_t version, oldest; /* version 0: never set */
    bool     exists;
    uint8_t  roots[64];       /* by version */
} model_name;

typedef struct model {
    bool       objects[8];
    model_name names[3];
} model;

static const char *const model_names[3] = {"x", "y/z", "\xe2\x82\xac"};

static size_t model_object(unsigned i, uint8_t *out)
{
    static const size_t sizes[8] = {0, 1, 7, 8, 9, 100, 5000, 40000};
    fill(out, sizes[i], 77 + i);
    return sizes[i];
}

static void model_check(dx_cas_store *s, const model *m, bool exact)
{
    static uint8_t bytes[40000], out[40000];
    uint64_t cursor = 0, names = 0;
    dx_cas_ref r;
    dx_cas_stats st;
    for (unsigned i = 0; i < 8; i++) {
        dx_cas_id id;
        size_t got, size = model_object(i, bytes);
        dx_cas_hash(bytes, size, &id);
        int error = dx_cas_get(s, &id, out, sizeof out, &got);
        if (m->objects[i]) DX_CHECK(error == DX_CAS_OK && got == size && memcmp(bytes, out, size) == 0);
        if (!m->objects[i] && exact) DX_CHECK_EQ(error, DX_CAS_ENOTFOUND);
    }
    for (unsigned i = 0; i < 3; i++) {
        const model_name *n = &m->names[i];
        int error = dx_cas_ref_get(s, model_names[i], 0, &r);
        DX_CHECK_EQ(error, n->exists ? DX_CAS_OK : DX_CAS_ENOTFOUND);
        for (uint64_t v = n->version; n->exists && v >= n->oldest; v--) {
            dx_cas_id id;
            DX_CHECK_EQ(r.version, v);
            dx_cas_hash(bytes, model_object(n->roots[v % 64], bytes), &id);
            DX_CHECK(dx_cas_id_equal(&id, &r.root));
            error = dx_cas_ref_previous(s, &r);
            DX_CHECK_EQ(error, v > n->oldest ? DX_CAS_OK : DX_CAS_ENOTFOUND);
        }
        names += n->exists;
    }
    dx_cas_get_stats(s, &st);
    DX_CHECK_EQ(st.names, names);
    while (dx_cas_ref_next(s, &cursor, &r) == DX_CAS_OK) names--;
    DX_CHECK_EQ(names, 0);
}

DX_PROPERTY(ca_1_any_sequence_of_operations_equals_the_model, 120)
{
    static uint8_t bytes[40000];
    sim *d = sim_new(4 << 20), *other = sim_new(4 << 20);
    model now, saved;
    dx_cas_store s, t;
    dx_cas_desc desc = {0};
    memset(&now, 0, sizeof now);
    saved = now;
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 64 * 1024;
    desc.align = 8u << dx_choose(c, 1) * 6; /* 8 or 512 */
    OK(dx_cas_open(&s, &desc));
    unsigned steps = (unsigned)dx_choose(c, 40);
    for (unsigned step = 0; step < steps; step++) {
        unsigned i = (unsigned)dx_choose(c, 7), k = (unsigned)dx_choose(c, 2);
        model_name *n = &now.names[k];
        dx_cas_id id;
        size_t size = model_object(i, bytes);
        dx_cas_hash(bytes, size, &id);
        switch (dx_choose(c, 8)) {
        case 0:
        case 1:
            OK(dx_cas_put(&s, bytes, size, &id));
            now.objects[i] = true;
            break;
        case 2:
        case 3: {
            dx_cas_ref r = make_ref(model_names[k], &id, size);
            uint64_t expected = n->exists ? n->version : 0;
            int error = dx_cas_ref_set(&s, &r, expected, NULL);
            DX_CHECK_EQ(error, now.objects[i] ? DX_CAS_OK : DX_CAS_ENOTFOUND);
            DX_CHECK_EQ(dx_cas_ref_set(&s, &r, expected + 100, NULL), DX_CAS_ECONFLICT);
            if (error != DX_CAS_OK) break;
            n->version++;
            if (!n->exists) n->oldest = n->version;
            n->exists = true;
            n->roots[n->version % 64] = (uint8_t)i;
            break;
        }
        case 4:
            DX_CHECK_EQ(dx_cas_ref_delete(&s, model_names[k], DX_CAS_ANY_VERSION),
                        n->exists ? DX_CAS_OK : DX_CAS_ENOTFOUND);
            n->exists = false;
            break;
        case 5:
            if (!n->exists) break;
            OK(dx_cas_ref_trim(&s, model_names[k], n->version - dx_choose(c, 1)));
            DX_CHECK_EQ(dx_cas_ref_get(&s, model_names[k], 0, &(dx_cas_ref){0}), DX_CAS_OK);
            {
                dx_cas_ref r;
                OK(dx_cas_ref_get(&s, model_names[k], 0, &r));
                n->oldest = r.oldest;
            }
            break;
        case 6:
            OK(dx_cas_commit(&s));
            saved = now;
            break;
        case 7:
            dx_cas_close(&s);
            OK(dx_cas_open(&s, &desc));
            now = saved;
            break;
        default: { /* collect into a new store and continue with that one */
            dx_cas_desc fresh = desc;
            sim *swap = other;
            fresh.device = sim_device(other);
            fresh.memory = store_memory2;
            other->size = 0;
            OK(dx_cas_commit(&s));
            OK(dx_cas_open(&t, &fresh));
            OK(dx_cas_compact_into(&s, &t));
            OK(dx_cas_verify(&t, NULL, NULL, NULL));
            dx_cas_close(&t);
            dx_cas_close(&s);
            other = d;
            d = swap;
            desc.device = sim_device(d);
            OK(dx_cas_open(&s, &desc));
            memset(now.objects, 0, sizeof now.objects);
            for (unsigned j = 0; j < 3; j++) {
                model_name *m = &now.names[j];
                if (!m->exists) m->version = 0;
                for (uint64_t v = m->oldest; m->exists && v <= m->version; v++) now.objects[m->roots[v % 64]] = true;
            }
            saved = now;
        }
        }
        model_check(&s, &now, true);
    }
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
    sim_free(d);
    sim_free(other);
}

/* >>readers ------------------------------------------------------------ */
DX_TEST(ca_a_reader_sees_whole_commits_only)
{
    sim *d = sim_new(1 << 20);
    dx_cas_store w, r;
    dx_cas_id id;
    OK(open_sim(&w, d, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(open_second(&r, d, DX_CAS_READ));
    for (unsigned t = 1; t <= ROUNDS; t++) {
        OK(dx_cas_put(&w, &t, sizeof t, &id));
        OK(dx_cas_refresh(&r));
        DX_CHECK_EQ(dx_cas_has(&r, &id), DX_CAS_ENOTFOUND);
        OK(transaction(&w, t));
        DX_CHECK_EQ(state_of(&r, ROUNDS), t - 1);
        OK(dx_cas_refresh(&r));
        DX_CHECK_EQ(state_of(&r, ROUNDS), t);
        OK(dx_cas_has(&r, &id));
        long reads = d->reads;
        OK(dx_cas_refresh(&r));
        DX_CHECK(d->reads - reads <= 2);
    }
    OK(dx_cas_retire(&w));
    DX_CHECK_EQ(dx_cas_refresh(&r), DX_CAS_EMOVED);
    OK(dx_cas_refresh(&r)); /* already reported */
    OK(dx_cas_put(&w, "more", 4, &id));
    OK(dx_cas_commit(&w));
    OK(dx_cas_refresh(&r));
    OK(dx_cas_has(&r, &id));
    d->size = 500; /* another process truncated the store */
    DX_CHECK_EQ(dx_cas_refresh(&r), DX_CAS_EAGAIN);
    dx_cas_close(&w);
    dx_cas_close(&r);
    sim_free(d);
}

DX_TEST(ca_a_failing_device_is_never_taken_for_an_old_store)
{
    for (long n = 1;; n++) {
        sim *d = sim_new(1 << 20);
        dx_cas_store w, r;
        OK(open_sim(&w, d, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(open_second(&r, d, DX_CAS_READ));
        for (unsigned t = 1; t <= ROUNDS; t++) OK(transaction(&w, t));
        d->fail_at = d->calls + n;
        int error = dx_cas_refresh(&r);
        d->fail_at = 0;
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ESYS);
        if (error == DX_CAS_OK) DX_CHECK_EQ(state_of(&r, ROUNDS), ROUNDS);
        if (error != DX_CAS_OK) OK(dx_cas_refresh(&r));
        DX_CHECK_EQ(state_of(&r, ROUNDS), ROUNDS);
        dx_cas_close(&w);
        dx_cas_close(&r);
        sim_free(d);
        if (error == DX_CAS_OK) break;
    }
}

/* A reader that refreshes while a writer is at any byte of its work, then continues. */
static void refresh_at_every_byte(void)
{
    size_t ack_ops[ROUNDS + 1];
    sim *d = recorded_run(ack_ops), *at = sim_new(16384);
    dx_cas_store r;
    bool opened = false;
    unsigned last = 0;
    for (size_t i = 0; i < d->op_count; i++) {
        const sim_op *o = &d->ops[i];
        for (size_t n = 0; n <= o->size; n++) {
            unsigned k;
            replay(at, o, n);
            if (!opened) opened = open_second(&r, at, DX_CAS_READ) == DX_CAS_OK;
            if (!opened) continue;
            OK(dx_cas_refresh(&r));
            if (r.tip_.sequence == last && n % 7) continue;
            k = state_of(&r, ROUNDS);
            DX_CHECK(k >= last && k >= acked(ack_ops, i));
            last = k;
        }
    }
    DX_CHECK_EQ(last, ROUNDS);
    dx_cas_close(&r);
    sim_free(d);
    sim_free(at);
}

DX_TEST(ca_a_reader_refreshes_at_every_byte) { at_each_level(refresh_at_every_byte, 3); }

/* >>codec -------------------------------------------------------------- */
/* Run lengths: (count, byte) pairs. */
static int rle_pack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *out_size)
{
    const uint8_t *p = (const uint8_t *)in;
    uint8_t *q = (uint8_t *)out;
    size_t n = 0;
    (void)user;
    for (size_t i = 0; i < size;) {
        size_t run = 1;
        while (i + run < size && run < 255 && p[i + run] == p[i]) run++;
        if (capacity - n < 2) return DX_CAS_ENOSPACE;
        q[n++] = (uint8_t)run;
        q[n++] = p[i];
        i += run;
    }
    *out_size = n;
    return DX_CAS_OK;
}

static int rle_unpack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *out_size)
{
    const uint8_t *p = (const uint8_t *)in;
    size_t n = 0;
    (void)user;
    for (size_t i = 0; i + 1 < size; i += 2) {
        if (p[i] > capacity - n) return DX_CAS_ECORRUPT;
        memset((uint8_t *)out + n, p[i + 1], p[i]);
        n += p[i];
    }
    *out_size = n;
    return DX_CAS_OK;
}

DX_TEST(ca_3_codec)
{
    static uint8_t zeros[20000], noise[20000], out[20000];
    sim *d = sim_new(1 << 20), *e = sim_new(1 << 20);
    dx_cas_codec codec = {200, rle_pack, rle_unpack, NULL, NULL};
    dx_cas_desc desc = {0};
    dx_cas_store s, t;
    dx_cas_id a, b;
    dx_cas_stats st;
    dx_cas_damage seen = {0};
    size_t size;
    fill(noise, sizeof noise, 1);
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 256 * 1024;
    desc.object_size_max = 20000;
    desc.codecs = &codec;
    desc.codec_count = 1;
    OK(dx_cas_open(&s, &desc));
    OK(dx_cas_put(&s, zeros, sizeof zeros, &a));
    OK(dx_cas_put(&s, noise, sizeof noise, &b));
    dx_cas_get_stats(&s, &st);
    DX_CHECK_EQ(st.logical_bytes, 40000);
    DX_CHECK_EQ(st.stored_bytes, 20000 + 158);
    dx_cas_ref r = make_ref("z", &a, 20000), q = make_ref("n", &b, 20000);
    OK(dx_cas_ref_set(&s, &r, 0, NULL));
    OK(dx_cas_ref_set(&s, &q, 0, NULL));
    OK(dx_cas_commit(&s));
    OK(dx_cas_get(&s, &a, out, sizeof out, &size));
    DX_CHECK_MEM(out, zeros, 20000);
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_desc to = desc;
    to.device = sim_device(e);
    to.memory = store_memory2;
    OK(dx_cas_open(&t, &to));
    OK(dx_cas_compact_into(&s, &t));
    OK(dx_cas_get(&t, &a, out, sizeof out, &size));
    OK(dx_cas_get(&t, &b, out, sizeof out, &size));
    DX_CHECK_EQ(e->size, d->size);
    dx_cas_close(&t);
    d->data[128 + 64] = 1; /* the run count: unpacks to another size */
    DX_CHECK_EQ(dx_cas_get(&s, &a, out, sizeof out, &size), DX_CAS_ECORRUPT);
    d->data[128 + 64] = 255;
    dx_cas_close(&s);
    desc.codec_count = 0; /* a build without the codec */
    OK(dx_cas_open(&s, &desc));
    DX_CHECK_EQ(dx_cas_get(&s, &a, out, sizeof out, &size), DX_CAS_ENOTSUP);
    OK(dx_cas_get(&s, &b, out, sizeof out, &size));
    DX_CHECK_EQ(dx_cas_verify(&s, count_damage, &seen, NULL), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(seen.kind, DX_CAS_DAMAGE_UNKNOWN);
    dx_cas_close(&s);
    desc.codec_count = 1;
    desc.object_size_max = 19999; /* the limit applies to unpacked sizes, too */
    OK(dx_cas_open(&s, &desc));
    DX_CHECK_EQ(dx_cas_get(&s, &a, out, sizeof out, &size), DX_CAS_ETOOBIG);
    dx_cas_close(&s);
    sim_free(d);
    sim_free(e);
}

/* >>streams ------------------------------------------------------------ */
typedef struct stream_kit {
    sim         *d;
    dx_cas_store s;
    uint8_t     *store_block, *writer_block, *reader_block;
    dx_cas_writer_desc desc;
    size_t       reader_size;
} stream_kit;

static void kit_open(stream_kit *k, uint32_t avg)
{
    dx_cas_desc desc = {0};
    memset(k, 0, sizeof *k);
    k->d = sim_new(24 << 20);
    desc.device = sim_device(k->d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.objects_max = 40000;
    desc.memory_size = dx_cas_memory_size(&desc);
    desc.memory = k->store_block = (uint8_t *)malloc(desc.memory_size);
    OK(dx_cas_open(&k->s, &desc));
    k->desc.store = &k->s;
    k->desc.chunker.size_avg = avg;
    k->desc.memory_size = dx_cas_writer_memory_size(&k->desc);
    k->desc.memory = k->writer_block = (uint8_t *)malloc(k->desc.memory_size);
    k->reader_size = dx_cas_reader_memory_size(avg * 4);
    k->reader_block = (uint8_t *)malloc(k->reader_size);
}

static void kit_close(stream_kit *k)
{
    dx_cas_close(&k->s);
    free(k->store_block);
    free(k->writer_block);
    free(k->reader_block);
    sim_free(k->d);
}

static dx_cas_content kit_write(stream_kit *k, const uint8_t *p, size_t size)
{
    dx_cas_writer w;
    dx_cas_content out;
    size_t used;
    OK(dx_cas_writer_begin(&w, &k->desc));
    OK(dx_cas_writer_write(&w, p, size, &used));
    DX_CHECK_EQ(used, size);
    OK(dx_cas_writer_finish(&w, &out));
    return out;
}

/* The chunker as described in docs/formats/cas.md, byte by byte. */
static size_t plain_cut(const dx_cas_chunker *k, const uint8_t *p, size_t size)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < size && i < k->desc_.size_max; i++) {
        if (i + 64 >= k->desc_.size_min) hash = (hash << 1) + k->gear_[p[i]];
        if (i + 1 >= k->desc_.size_min && (hash & (i + 1 <= k->desc_.size_avg ? k->mask_hard_ : k->mask_easy_)) == 0) return i + 1;
    }
    return size < k->desc_.size_max ? size : k->desc_.size_max;
}

DX_PROPERTY(ck_2_two_places_at_once_cut_where_one_does, 120)
{
    static uint8_t bytes[400000];
    dx_cas_chunker_desc desc = {0};
    dx_cas_chunker k;
    size_t size = (size_t)dx_choose(c, sizeof bytes), piece = (size_t)1 << dx_choose_range(c, 8, 19), at = 0;
    desc.size_avg = (uint32_t)1 << dx_choose_range(c, 8, 17);
    if (dx_choose(c, 1)) desc.size_min = 64;
    if (dx_choose(c, 2) == 0) fill_text(bytes, size, size);
    else fill(bytes, size, size);
    OK(dx_cas_chunker_init(&k, &desc));
    while (at < size) {
        size_t want = plain_cut(&k, bytes + at, size - at), done = 0;
        bool cut = false;
        while (!cut && at + done < size) { /* in pieces that contain no cut */
            size_t n = size - at - done < piece ? size - at - done : piece;
            done += dx_cas_chunker_next(&k, bytes + at + done, n, &cut);
        }
        DX_CHECK_EQ(done, want);
        at += done;
    }
}

DX_TEST(ck_3_streams_of_all_kinds_of_sizes)
{
    static const size_t sizes[] = {0, 1, 63, 64, 255, 1024, 1025, 5000, 300000, 2500000};
    stream_kit k;
    uint8_t *data = (uint8_t *)malloc(2500000), *out = (uint8_t *)malloc(2500000);
    uint64_t seed = 9;
    fill(data, 2500000, 4);
    kit_open(&k, 256); /* about 10,000 chunks at most: three levels of nodes */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        dx_cas_content a = kit_write(&k, data, sizes[i]), b;
        dx_cas_reader r;
        dx_cas_id id;
        dx_cas_stats before, after_;
        size_t got;
        dx_cas_hash(data, sizes[i], &id);
        DX_CHECK(dx_cas_id_equal(&id, &a.content));
        DX_CHECK_EQ(a.size, sizes[i]);
        if (sizes[i] <= 64) DX_CHECK(dx_cas_id_equal(&a.root, &a.content)); /* one chunk: its own root */
        dx_cas_get_stats(&k.s, &before);
        b = kit_write(&k, data, sizes[i]); /* writing it again stores nothing */
        dx_cas_get_stats(&k.s, &after_);
        DX_CHECK_EQ(before.device_bytes, after_.device_bytes);
        DX_CHECK(dx_cas_id_equal(&a.root, &b.root));
        OK(dx_cas_reader_open(&r, &k.s, &a.root, k.reader_block, k.reader_size));
        DX_CHECK_EQ(r.size, sizes[i]);
        OK(dx_cas_reader_read(&r, 0, out, 2500000, &got));
        DX_CHECK_EQ(got, sizes[i]);
        DX_CHECK_MEM(out, data, got);
        OK(dx_cas_reader_read(&r, sizes[i], out, 10, &got));
        DX_CHECK_EQ(got, 0);
        for (int n = 0; sizes[i] && n < 300; n++) {
            size_t at = (size_t)(dx_test_random(&seed) % sizes[i]), size = (size_t)(dx_test_random(&seed) % 3000);
            size_t want = size < sizes[i] - at ? size : sizes[i] - at;
            uint64_t start, length;
            OK(dx_cas_reader_read(&r, at, out, size, &got));
            DX_CHECK_EQ(got, want);
            DX_CHECK_MEM(out, data + at, got);
            OK(dx_cas_reader_chunk(&r, at, &id, &start, &length));
            DX_CHECK(start <= at && at - start < length);
        }
    }
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    kit_close(&k);
    free(data);
    free(out);
}

DX_PROPERTY(ck_3_every_split_of_a_stream_has_the_same_root, 60)
{
    static uint8_t data[60000];
    stream_kit k;
    dx_cas_writer w;
    dx_cas_content a, b;
    size_t size = (size_t)dx_choose(c, sizeof data), done = 0;
    fill(data, size, dx_choose(c, 9));
    kit_open(&k, 256);
    a = kit_write(&k, data, size);
    OK(dx_cas_writer_begin(&w, &k.desc));
    while (done < size) {
        size_t n = (size_t)dx_choose_range(c, 1, size - done < 4000 ? size - done : 4000);
        OK(dx_cas_writer_write(&w, data + done, n, NULL));
        done += n;
    }
    OK(dx_cas_writer_finish(&w, &b));
    DX_CHECK_MEM(&a, &b, sizeof a);
    kit_close(&k);
}

DX_TEST(ck_2_an_inserted_byte_costs_a_chunk_and_a_few_nodes)
{
    stream_kit k;
    size_t size = 2000000;
    uint8_t *data = (uint8_t *)malloc(size + 1);
    dx_cas_stats before, after_;
    kit_open(&k, 256);
    fill_text(data, size, 3);
    kit_write(&k, data, size);
    dx_cas_get_stats(&k.s, &before);
    memmove(data + 1000001, data + 1000000, size - 1000000);
    data[1000000] = '!';
    kit_write(&k, data, size + 1);
    dx_cas_get_stats(&k.s, &after_);
    DX_CHECK(after_.objects > before.objects);
    DX_CHECK(after_.stored_bytes - before.stored_bytes < 40000); /* nodes are cut by content, too */
    kit_close(&k);
    free(data);
}

DX_TEST(ck_3_a_stream_goes_on_after_enomem)
{
    static uint8_t data[60000], out[60000];
    sim *d = sim_new(1 << 20);
    dx_cas_desc desc = {0};
    dx_cas_store s;
    dx_cas_writer_desc wd = {0};
    dx_cas_writer w;
    dx_cas_content content;
    dx_cas_reader r;
    size_t done = 0, got;
    int grown = 0, error;
    fill(data, sizeof data, 8);
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.objects_max = 17;
    desc.memory_size = dx_cas_memory_size(&desc);
    OK(dx_cas_open(&s, &desc));
    wd.store = &s;
    wd.chunker.size_avg = 256;
    wd.memory_size = dx_cas_writer_memory_size(&wd);
    wd.memory = malloc(wd.memory_size);
    OK(dx_cas_writer_begin(&w, &wd));
    while (done < sizeof data) {
        size_t used = 0;
        error = dx_cas_writer_write(&w, data + done, sizeof data - done, &used);
        done += used;
        if (error == DX_CAS_ENOMEM) {
            OK(dx_cas_grow(&s, grown++ & 1 ? store_memory : store_memory2, dx_cas_memory_needed(&s)));
        } else {
            OK(error);
        }
    }
    while ((error = dx_cas_writer_finish(&w, &content)) == DX_CAS_ENOMEM) {
        OK(dx_cas_grow(&s, grown++ & 1 ? store_memory : store_memory2, dx_cas_memory_needed(&s)));
    }
    OK(error);
    DX_CHECK(grown >= 2);
    uint8_t *block = (uint8_t *)malloc(dx_cas_reader_memory_size(1024));
    OK(dx_cas_reader_open(&r, &s, &content.root, block, dx_cas_reader_memory_size(1024)));
    OK(dx_cas_reader_read(&r, 0, out, sizeof out, &got));
    DX_CHECK_EQ(got, sizeof data);
    DX_CHECK_MEM(out, data, got);
    OK(dx_cas_reader_open(&r, &s, &content.root, block, dx_cas_reader_memory_size(64)));
    DX_CHECK_EQ(dx_cas_reader_read(&r, 1, out, 10, &got), DX_CAS_ENOMEM); /* the chunk is larger */
    DX_CHECK_EQ(dx_cas_reader_open(&r, &s, &content.root, block, 10), DX_CAS_ENOMEM);
    wd.memory_size--;
    DX_CHECK_EQ(dx_cas_writer_begin(&w, &wd), DX_CAS_ENOMEM);
    free(block);
    free(wd.memory);
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(w_75_a_damaged_chunk_or_node_stops_the_reader)
{
    stream_kit k;
    static uint8_t data[30000], out[30000];
    dx_cas_content content;
    dx_cas_reader r;
    size_t got, bad = 0;
    fill(data, sizeof data, 2);
    kit_open(&k, 256);
    content = kit_write(&k, data, sizeof data);
    OK(dx_cas_commit(&k.s));
    for (size_t at = 128; at + 128 < k.d->size; at += 97) {
        k.d->data[at] ^= 1;
        int error = dx_cas_reader_open(&r, &k.s, &content.root, k.reader_block, k.reader_size);
        if (error == DX_CAS_OK) error = dx_cas_reader_read(&r, 0, out, sizeof out, &got);
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ECORRUPT);
        if (error == DX_CAS_OK) DX_CHECK_MEM(out, data, sizeof data); /* the byte was padding */
        bad += error != DX_CAS_OK;
        k.d->data[at] ^= 1;
    }
    DX_CHECK(bad > 200);
    kit_close(&k);
}

DX_TEST(w_77_collection_drops_what_no_kept_version_needs)
{
    stream_kit k, to;
    size_t size = 400000;
    uint8_t *data = (uint8_t *)malloc(size);
    dx_cas_content contents[4];
    dx_cas_stats a, b;
    kit_open(&k, 256);
    kit_open(&to, 256);
    for (uint64_t i = 0; i < 4; i++) {
        fill(data, size, i);
        contents[i] = kit_write(&k, data, size);
        dx_cas_ref r = make_ref("f", &contents[i].root, size);
        OK(dx_cas_ref_set(&k.s, &r, i, NULL));
    }
    OK(dx_cas_ref_trim(&k.s, "f", 3));
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_compact_into(&k.s, &to.s));
    dx_cas_get_stats(&k.s, &a);
    dx_cas_get_stats(&to.s, &b);
    DX_CHECK(b.device_bytes < a.device_bytes * 6 / 10);
    DX_CHECK_EQ(dx_cas_has(&to.s, &contents[1].root), DX_CAS_ENOTFOUND);
    OK(dx_cas_has(&to.s, &contents[2].root));
    OK(dx_cas_verify(&to.s, NULL, NULL, NULL));
    dx_cas_ref r;
    OK(dx_cas_ref_get(&to.s, "f", 3, &r));
    OK(dx_cas_ref_get(&to.s, "f", 0, &r));
    DX_CHECK_EQ(r.version, 4);
    DX_CHECK_EQ(r.oldest, 3);
    uint64_t bytes = b.device_bytes;
    OK(dx_cas_compact_into(&k.s, &to.s)); /* again: nothing to do */
    dx_cas_get_stats(&to.s, &b);
    DX_CHECK_EQ(b.device_bytes, bytes);
    DX_CHECK_EQ(dx_cas_compact_into(&k.s, &k.s), DX_CAS_EINVAL);
    kit_close(&k);
    kit_close(&to);
    free(data);
}

/* >>devices ------------------------------------------------------------ */
DX_TEST(ca_memory_device)
{
    static uint8_t disk[4096];
    dx_devices_memory m = {disk, sizeof disk, 0};
    dx_cas_device d = dx_devices_memory_device(&m);
    uint8_t out[8];
    size_t got;
    uint64_t size;
    OK(d.write(d.user, 4, "ab", 2));
    OK(d.size(d.user, &size));
    DX_CHECK_EQ(size, 6);
    OK(d.read(d.user, 2, out, 8, &got));
    DX_CHECK_EQ(got, 4);
    DX_CHECK_MEM(out, "\0\0ab", 4);
    OK(d.read(d.user, UINT64_MAX, out, 8, &got));
    DX_CHECK_EQ(got, 0);
    DX_CHECK_EQ(d.write(d.user, 4095, "ab", 2), DX_CAS_ENOSPACE);
    DX_CHECK_EQ(d.write(d.user, UINT64_MAX, "ab", 2), DX_CAS_ENOSPACE);
    OK(d.truncate(d.user, 5));
    OK(d.sync(d.user));
    OK(d.size(d.user, &size));
    DX_CHECK_EQ(size, 5);
}

static const char *temp_path(const char *name)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/dx_cas_%d_%s", folder ? folder : "/tmp", (int)getpid(), name);
    return path;
}

DX_TEST(ca_file_device)
{
    char path[256], second[256];
    dx_cas_file f, g;
    dx_cas_store s;
    dx_cas_id id;
    uint8_t out[16];
    size_t size;
    snprintf(path, sizeof path, "%s", temp_path("file"));
    snprintf(second, sizeof second, "%s", temp_path("second"));
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_READ), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE), DX_CAS_ENOTFOUND);
    DX_CHECK_EQ(dx_cas_file_open(&f, "/nowhere/at/all", DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_ENOTFOUND);
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE));
    DX_CHECK_EQ(dx_cas_file_open(&g, path, DX_CAS_WRITE), DX_CAS_ELOCKED);
    OK(dx_cas_file_open(&g, path, DX_CAS_READ)); /* readers take no lock */
    OK(open_on(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&s, "on disk", 7, &id));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    OK(open_on(&s, dx_cas_file_device(&g), DX_CAS_READ));
    OK(dx_cas_get(&s, &id, out, sizeof out, &size));
    DX_CHECK_MEM(out, "on disk", 7);
    dx_cas_close(&s);
    dx_cas_file_close(&g);
    dx_cas_file_close(&f);
    dx_cas_file_close(&f);
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE)); /* the lock was released with the first */
    dx_cas_device d = dx_cas_file_device(&f);
    OK(d.write(d.user, ((uint64_t)1 << 33) + 5, "far", 3)); /* offsets have 64 bits */
    OK(d.read(d.user, ((uint64_t)1 << 33) + 5, out, 16, &size));
    DX_CHECK_EQ(size, 3);
    DX_CHECK_MEM(out, "far", 3);
    OK(d.truncate(d.user, 100));
    dx_cas_file_close(&f);
    OK(dx_cas_file_sync_folder(path));
    DX_CHECK_EQ(dx_cas_file_sync_folder(NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_file_open(&f, "/dev/full", DX_CAS_WRITE), DX_CAS_OK);
    d = dx_cas_file_device(&f);
    DX_CHECK_EQ(d.write(d.user, 0, "x", 1), DX_CAS_ENOSPACE);
    dx_cas_file_close(&f);
    unlink(path);
    unlink(second);
}

/* The lock and the last commit when the writer is killed. */
DX_TEST(w_76_kill_9_leaves_no_lock_and_a_committed_state)
{
    char path[256];
    snprintf(path, sizeof path, "%s", temp_path("kill"));
    for (unsigned round = 0; round < 6; round++) {
        dx_cas_file f;
        dx_cas_store s;
        int pipe_[2];
        char byte = 0;
        DX_CHECK_EQ(pipe(pipe_), 0);
        pid_t child = fork();
        if (child == 0) {
            unsigned k = 0;
            dx_cas_ref r;
            if (dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE) != 0) _exit(1);
            if (open_on(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE) != 0) _exit(2);
            if (dx_cas_ref_get(&s, "a", 0, &r) == 0) k = (unsigned)r.version;
            for (unsigned i = 0; k < ROUNDS && i <= round % 2; i++) {
                if (transaction(&s, ++k) != 0) _exit(3);
            }
            for (unsigned n = 0;; n++) { /* then writes without commit until killed */
                if (dx_cas_put(&s, &n, sizeof n, NULL) != 0) n = 0;
                if (n == 50 && write(pipe_[1], "x", 1) != 1) _exit(4);
            }
        }
        DX_CHECK_EQ(read(pipe_[0], &byte, 1), 1);
        DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE), DX_CAS_ELOCKED);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(pipe_[0]);
        close(pipe_[1]);
        OK(dx_cas_file_open(&f, path, DX_CAS_WRITE));
        OK(open_on(&s, dx_cas_file_device(&f), DX_CAS_WRITE));
        DX_CHECK(state_of(&s, ROUNDS) >= 1);
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        dx_cas_close(&s);
        dx_cas_file_close(&f);
    }
    unlink(path);
}

/* A writer that opened the old file just before a compacted one replaced it must not be allowed to write. */
DX_TEST(ca_the_lock_is_for_the_file_that_the_path_names)
{
    char path[256], fresh[256];
    dx_cas_file f, g;
    snprintf(path, sizeof path, "%s", temp_path("old"));
    snprintf(fresh, sizeof fresh, "%s", temp_path("new"));
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_file_open(&g, fresh, DX_CAS_WRITE | DX_CAS_CREATE));
    DX_CHECK_EQ(rename(fresh, path), 0);
    dx_cas_file_close(&f);
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE), DX_CAS_ELOCKED); /* g holds the lock */
    dx_cas_file_close(&g);
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE));
    dx_cas_file_close(&f);
    unlink(path);
}

/* >>hostile ------------------------------------------------------------ */
/* A ref record that no writer would make, but with a valid hash and CRC. */
static uint64_t forge_ref(dx_cas_store *s, const char *name, uint64_t version, uint64_t oldest, uint64_t previous)
{
    dx_cas_p_ref r;
    dx_cas_id root;
    OK(dx_cas_put(s, "root", 4, &root));
    memset(&r, 0, sizeof r);
    r.op = DX_CAS_EXT_SET;
    r.ref = make_ref(name, &root, 4);
    r.ref.version = version;
    r.ref.oldest = oldest;
    r.ref.previous_ = previous;
    OK(dx_cas_p_put_ref(s, &r));
    return r.place;
}

DX_TEST(md_1_a_ref_that_breaks_its_rules_is_damage)
{
    char path[256];
    dx_cas_file f;
    dx_cas_store s;
    dx_cas_ref r;
    uint64_t b, cursor = 0, version = 0;
    snprintf(path, sizeof path, "%s", temp_path("forged"));
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(open_on(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE));
    b = forge_ref(&s, "b", 1, 1, 0);
    forge_ref(&s, "a", 2, 1, b); /* the previous version has another name */
    DX_CHECK_EQ(dx_cas_ref_get(&s, "a", 1, &r), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s), b);
    OK(dx_cas_ref_get(&s, "a", 2, &r));
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &r), DX_CAS_ECORRUPT);
    forge_ref(&s, "c", 2, 1, ((uint64_t)1 << 63) + 8); /* ... or an invalid offset */
    DX_CHECK_EQ(dx_cas_ref_get(&s, "c", 1, &r), DX_CAS_ECORRUPT);
    forge_ref(&s, "d", UINT64_MAX - 2, 1, 0); /* the highest version number */
    r = make_ref("d", &r.root, 4);
    DX_CHECK_EQ(dx_cas_ref_set(&s, &r, DX_CAS_ANY_VERSION, &version), DX_CAS_ETOOBIG);
    OK(dx_cas_commit(&s));
    while (dx_cas_ref_next(&s, &cursor, &r) == DX_CAS_OK) version++;
    DX_CHECK_EQ(version, 4);
    forge_ref(&s, "e", UINT64_MAX, 1, 0);
    forge_ref(&s, "f", 1, 2, 0);
    DX_CHECK_EQ(dx_cas_ref_get(&s, "e", 0, &r), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_ref_get(&s, "f", 0, &r), DX_CAS_ECORRUPT);
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    DX_CHECK_EQ(open_on(&s, dx_cas_file_device(&f), DX_CAS_READ), DX_CAS_ECORRUPT);
    dx_cas_file_close(&f);
    unlink(path);
}

DX_TEST(ca_no_record_stands_behind_2_to_the_48)
{
    sim *d = sim_new(4096);
    dx_cas_store s;
    dx_cas_ext_record r, back;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    memset(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_BLOB;
    for (uint64_t extra = 0; extra < 3; extra++) {
        r.place = ((uint64_t)1 << 48) - 64 + extra * 8;
        dx_cas_ext_record_encode(&s.form_, &r);
        DX_CHECK_EQ(dx_cas_ext_record_decode(&s.form_, r.place, r.head, &back), extra ? DX_CAS_ECORRUPT : DX_CAS_OK);
    }
    dx_cas_close(&s);
    sim_free(d);
}

DX_TEST(w_73_an_empty_object_with_a_wrong_id)
{
    sim *d = sim_new(4096);
    dx_cas_store s;
    dx_cas_ext_record r;
    size_t size = 1;
    OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
    memset(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_BLOB;
    OK(dx_cas_p_append(&s, &r, NULL, false));
    OK(dx_cas_p_add_object(&s, &r));
    DX_CHECK_EQ(dx_cas_get(&s, &r.id, NULL, 0, &size), DX_CAS_ECORRUPT);
    dx_cas_close(&s);
    sim_free(d);
}

/* A failed name change must not take effect later: a retry would make a second record of that version. */
DX_TEST(ca_a_failed_name_change_is_never_committed)
{
    for (long n = 1;; n++) {
        sim *d = sim_new(16384), *to = sim_new(16384);
        dx_cas_store s, dst;
        dx_cas_id ids[3];
        dx_cas_ref r;
        OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
        for (unsigned i = 0; i < 3; i++) OK(dx_cas_put(&s, &i, sizeof i, &ids[i]));
        r = make_ref("n", &ids[0], 4);
        OK(dx_cas_ref_set(&s, &r, 0, NULL));
        OK(dx_cas_commit(&s));
        d->fail_at = d->calls + n;
        d->fail_once = true;
        r = make_ref("n", &ids[1], 4);
        int error = dx_cas_ref_set(&s, &r, 1, NULL);
        d->fail_at = 0;
        r = make_ref("n", &ids[2], 4);
        if (error != DX_CAS_OK && dx_cas_ref_set(&s, &r, 1, NULL) == DX_CAS_OK) {
            OK(dx_cas_commit(&s));
            OK(open_second(&dst, to, DX_CAS_WRITE | DX_CAS_CREATE));
            OK(dx_cas_compact_into(&s, &dst));
            OK(dx_cas_ref_get(&dst, "n", 0, &r));
            DX_CHECK_MEM(r.root.bytes, ids[2].bytes, 32);
            dx_cas_close(&dst);
        }
        dx_cas_close(&s);
        OK(open_sim(&s, d, DX_CAS_WRITE));
        OK(dx_cas_ref_get(&s, "n", 0, &r));
        if (error == DX_CAS_OK) DX_CHECK_EQ(r.version, 1); /* it was not committed */
        dx_cas_close(&s);
        sim_free(d);
        sim_free(to);
        if (error == DX_CAS_OK) break;
    }
}

static int spoiling_write(void *user, uint64_t offset, const void *data, size_t size)
{
    uint8_t *junk = (uint8_t *)malloc(size);
    (void)data;
    memset(junk, 0xee, size); /* "After an error the bytes there are undefined." */
    sim_apply((sim *)user, offset, junk, size);
    free(junk);
    return DX_CAS_ESYS;
}

DX_TEST(w_76_completing_a_commit_does_not_risk_its_good_copy)
{
    for (size_t copy = 0; copy < 2; copy++) {
        sim *d = sim_new(4096);
        dx_cas_store s;
        dx_cas_device v = sim_device(d);
        OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(dx_cas_put(&s, "x", 1, NULL));
        OK(dx_cas_commit(&s));
        dx_cas_close(&s);
        d->data[d->size - 128 + 64 * copy + 30] ^= 1;
        v.write = spoiling_write;
        DX_CHECK_EQ(open_on(&s, v, DX_CAS_WRITE), DX_CAS_ESYS);
        OK(open_sim(&s, d, DX_CAS_READ));
        DX_CHECK_EQ(s.tip_.sequence, 1);
        OK(open_sim(&s, d, DX_CAS_WRITE));
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        dx_cas_close(&s);
        sim_free(d);
    }
}

static long racing_read_at;
static int racing_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    sim *d = (sim *)user;
    if (racing_read_at > 0 && --racing_read_at == 0) { /* another writer runs in between */
        dx_cas_store w;
        OK(open_second(&w, d, DX_CAS_WRITE));
        OK(dx_cas_put(&w, "something else", 14, NULL));
        OK(dx_cas_commit(&w));
        dx_cas_close(&w);
    }
    return sim_read(user, offset, out, size, got);
}

DX_TEST(ca_open_while_a_writer_cuts_off_a_torn_tail)
{
    for (long n = 1;; n++) {
        sim *d = sim_new(16384);
        dx_cas_store s;
        dx_cas_device v = sim_device(d);
        OK(open_sim(&s, d, DX_CAS_WRITE | DX_CAS_CREATE));
        OK(transaction(&s, 1));
        forge_ref(&s, "t", 1, 1, 0);
        forge_ref(&s, "t", 2, 1, 0);
        dx_cas_close(&s);
        v.read = racing_read;
        racing_read_at = n;
        int error = open_on(&s, v, DX_CAS_READ);
        bool reached = racing_read_at == 0;
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_EAGAIN);
        racing_read_at = 0;
        sim_free(d);
        if (!reached) break;
    }
}

DX_TEST(w_75_a_reader_that_did_not_open_does_not_read)
{
    stream_kit k;
    static uint8_t data[100000], out[16];
    dx_cas_content content;
    dx_cas_reader r;
    dx_cas_ext_record node;
    size_t got, size = dx_cas_reader_memory_size(0);
    void *memory = calloc(1, size);
    kit_open(&k, 256);
    fill(data, sizeof data, 5);
    content = kit_write(&k, data, sizeof data);
    OK(dx_cas_p_find(&k.s, &content.root, &node, NULL));
    k.d->data[node.place + 64 + 20] ^= 1;
    DX_CHECK_EQ(dx_cas_reader_open(&r, &k.s, &content.root, memory, size), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_reader_read(&r, 0, out, sizeof out, &got), DX_CAS_EINVAL);
    kit_close(&k);
    free(memory);
}

/* Overwrite fields of a store and fix the CRCs of its headers. */
static void mend_headers(dx_cas_store *s, sim *d)
{
    for (size_t at = 0; at + 64 <= d->size; at += 8) {
        uint8_t *p = d->data + at;
        if (at < 128 && memcmp(p, dx_cas_p_store_magic, 8) == 0) {
            dx_cas_p_store32(p + 60, dx_cas_p_crc32c(0, p, 60));
            if (p[11] >= 3 && p[11] <= 12 && at == 0) (void)dx_cas_p_decode_store(s, p, 0);
        } else if (memcmp(p, "DXCR", 4) == 0) {
            size_t stored = (size_t)(dx_cas_p_load64(p + 8) & 0xffffff);
            if ((p[4] == DX_CAS_EXT_LIST || p[4] == DX_CAS_EXT_REF) && stored <= d->size - at - 64) {
                dx_cas_id id;
                dx_cas_p_id_of(p[4], p + 64, stored, &id);
                memcpy(p + 24, id.bytes, 32);
            }
            dx_cas_p_store32(p + 56, s->form_.tag);
            dx_cas_p_store32(p + 60, dx_cas_p_head_crc(at, p));
        }
    }
}

static int open_roomy(dx_cas_store *s, sim *d, uint32_t mode, void *memory)
{
    dx_cas_desc desc = {0};
    desc.device = sim_device(d);
    desc.mode = mode;
    desc.memory = memory;
    desc.memory_size = 64 * 1024;
    return dx_cas_open(s, &desc);
}

static void use_hostile(sim *d, uint32_t mode)
{
    static uint8_t out[70000];
    static uint64_t memory[(1 << 19) / 8];
    dx_cas_store s, dst;
    dx_cas_ref r;
    uint64_t cursor = 0, start, size;
    size_t got;
    int e;
    if (open_roomy(&s, d, mode, store_memory) != DX_CAS_OK) return;
    while ((e = dx_cas_ref_next(&s, &cursor, &r)) == DX_CAS_OK || e == DX_CAS_ECORRUPT) {
        dx_cas_reader reader;
        dx_cas_id id;
        if (e != DX_CAS_OK) continue;
        (void)dx_cas_get(&s, &r.root, out, sizeof out, &got);
        if (dx_cas_reader_open(&reader, &s, &r.root, memory, sizeof memory) == DX_CAS_OK) {
            (void)dx_cas_reader_read(&reader, 0, out, sizeof out, &got);
            (void)dx_cas_reader_read(&reader, reader.size / 2, out, 10, &got);
            if (reader.size) (void)dx_cas_reader_chunk(&reader, reader.size - 1, &id, &start, &size);
        }
        while (dx_cas_ref_previous(&s, &r) == DX_CAS_OK) {}
    }
    (void)dx_cas_ref_get(&s, "a", 1, &r);
    (void)dx_cas_verify(&s, NULL, NULL, NULL);
    sim *to = sim_new(1 << 20);
    OK(open_roomy(&dst, to, DX_CAS_WRITE | DX_CAS_CREATE, store_memory2));
    if (dx_cas_compact_into(&s, &dst) == DX_CAS_OK) OK(dx_cas_verify(&dst, NULL, NULL, NULL));
    if (mode & DX_CAS_WRITE) {
        (void)transaction(&s, 1);
        (void)dx_cas_retire(&s);
    }
    (void)dx_cas_refresh(&s);
    dx_cas_close(&s);
    sim_free(to);
}

/* Two transactions around content with two levels of nodes; made once, the same every time. */
static sim *hostile_image(dx_cas_store *s)
{
    static uint8_t data[4000], memory[300000], image[1 << 16];
    static size_t image_size;
    static dx_cas_store made;
    sim *d = sim_new(1 << 16);
    if (image_size == 0) {
        dx_cas_writer w;
        dx_cas_writer_desc desc = {0};
        dx_cas_content content;
        OK(open_roomy(&made, d, DX_CAS_WRITE | DX_CAS_CREATE, store_memory));
        OK(transaction(&made, 1));
        desc.store = &made;
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.chunker.mode = DX_CAS_CHUNK_FIXED;
        desc.chunker.size_avg = 20;
        fill(data, sizeof data, 1);
        OK(dx_cas_writer_begin(&w, &desc));
        OK(dx_cas_writer_write(&w, data, sizeof data, NULL));
        OK(dx_cas_writer_finish(&w, &content));
        dx_cas_ref r = make_ref("s", &content.root, content.size);
        OK(dx_cas_ref_set(&made, &r, 0, NULL));
        OK(transaction(&made, 2));
        dx_cas_close(&made);
        memcpy(image, d->data, image_size = d->size);
    }
    memcpy(d->data, image, d->size = image_size);
    *s = made;
    return d;
}

/* Headers with valid CRCs and ids chosen to collide in the index: opening must not take quadratic time. Two kinds of collision:
   equal beginnings, which the payloads disprove, and equal upper bits, which are harmless because the key spreads them. */
DX_TEST(w_75_ids_that_were_made_to_meet_cost_no_quadratic_time)
{
    enum { COUNT = 30000 };
    for (unsigned kind = 0; kind < 2; kind++) {
        sim *d = sim_new((size_t)COUNT * 64 + 65536);
        dx_cas_store s;
        dx_cas_desc desc = {0};
        dx_cas_ext_record r;
        void *memory = malloc(4 << 20);
        desc.device = sim_device(d);
        desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
        desc.memory = memory;
        desc.memory_size = 4 << 20;
        OK(dx_cas_open(&s, &desc));
        memset(&r, 0, sizeof r);
        r.type = DX_CAS_EXT_BLOB;
        for (unsigned i = 0; i < COUNT; i++) {
            dx_cas_p_store32(r.id.bytes + (kind ? 0 : 8), i); /* the low half of the fingerprint, or beyond it */
            OK(dx_cas_p_append(&s, &r, NULL, false));
        }
        OK(dx_cas_commit(&s));
        dx_cas_close(&s);
        desc.mode = DX_CAS_READ;
        long reads = d->reads;
        DX_CHECK_EQ(dx_cas_open(&s, &desc), kind ? DX_CAS_OK : DX_CAS_ECORRUPT);
        DX_CHECK(d->reads - reads < 100 * (long)COUNT);
        desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
        OK(dx_cas_open(&s, &desc));
        DX_CHECK_EQ(s.entry_count_, kind ? COUNT : DX_CAS_P_ALIKE_MAX);
        DX_CHECK_EQ(s.stats_.damaged_places, COUNT - s.entry_count_);
        dx_cas_close(&s);
        free(memory);
        sim_free(d);
    }
}

/* The result of a delta whose base is missing. */
static int base_is_missing(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *out_size)
{
    (void)user, (void)out, (void)capacity, (void)in, (void)size, (void)out_size;
    return DX_CAS_EBASE;
}

/* Where that many ids collide, one more is verified before it is accepted. Its codec and its base decide nothing about the store:
   it is left out like a damaged one. */
DX_TEST(w_75_ids_that_meet_and_cannot_be_unpacked_are_left_out)
{
    static const dx_cas_codec codec = {200, rle_pack, base_is_missing, NULL, NULL};
    enum { NOBODY_HAS = 201 };
    for (int known = 0; known < 2; known++) {
        static uint64_t memory[(1 << 18) / 8];
        sim *d = sim_new(1 << 16);
        dx_cas_store s;
        dx_cas_desc desc = {0};
        dx_cas_ext_record r;
        uint8_t data[64];
        dx_cas_ref back;
        desc.device = sim_device(d);
        desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.codecs = &codec;
        desc.codec_count = 1;
        desc.object_size_max = 4096;
        OK(dx_cas_open(&s, &desc));
        OK(transaction(&s, 1));
        memset(&r, 0, sizeof r);
        memset(data, 7, sizeof data);
        r.type = DX_CAS_EXT_BLOB;
        r.stored = r.logical = sizeof data;
        for (unsigned i = 0; i <= DX_CAS_P_ALIKE_MAX; i++) {
            dx_cas_p_store32(r.id.bytes + 8, i);
            if (i == DX_CAS_P_ALIKE_MAX) {
                r.codec = (uint8_t)(known ? codec.number : NOBODY_HAS);
                r.logical = 100;
            }
            OK(dx_cas_p_append(&s, &r, data, false));
        }
        OK(dx_cas_commit(&s));
        dx_cas_close(&s);
        desc.mode = DX_CAS_READ;
        DX_CHECK_EQ(dx_cas_open(&s, &desc), DX_CAS_ECORRUPT);
        desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
        OK(dx_cas_open(&s, &desc));
        DX_CHECK_EQ(s.stats_.damaged_places, 1);
        OK(dx_cas_ref_get(&s, "a", 0, &back));
        dx_cas_close(&s);
        sim_free(d);
    }
}

/* Both copies of a commit are valid but differ: the chain proves which one is right, and the other is rewritten. */
DX_TEST(w_77_of_two_copies_of_a_commit_the_one_that_the_chain_proves_stays)
{
    for (unsigned round = 0; round < 6; round++) {
        const unsigned copy = round % 2, damaged = round / 2; /* the first commit, one in the middle, the last */
        dx_cas_store s;
        dx_cas_desc desc = {0};
        dx_cas_repair_report report;
        uint8_t wrong[128];
        sim *d = sim_new(1 << 16), *was = sim_new(1 << 16);
        uint64_t place = 0;
        OK(open_roomy(&s, d, DX_CAS_WRITE | DX_CAS_CREATE, store_memory));
        for (unsigned t = 0; t < 3; t++) {
            OK(transaction(&s, t + 1));
            if (t != damaged) continue;
            dx_cas_id id = s.tip_.id;
            id.bytes[5] ^= 1;
            place = s.tip_.end - sizeof wrong;
            DX_CHECK_EQ(dx_cas_p_encode_commit(&s, place, s.tip_.sequence, s.tip_.marks, &id, wrong), sizeof wrong);
        }
        dx_cas_close(&s);
        memcpy(was->data, d->data, was->size = d->size);
        DX_CHECK(memcmp(d->data + place + 64 * copy, wrong + 64 * copy, 64) != 0);
        memcpy(d->data + place + 64 * copy, wrong + 64 * copy, 64);
        desc.device = sim_device(d);
        desc.memory = store_memory;
        desc.memory_size = 64 * 1024;
        OK(dx_cas_repair(&s, &desc, NULL, NULL, NULL, &report));
        DX_CHECK_EQ(report.repaired, 1);
        DX_CHECK_EQ(report.lost, 0);
        DX_CHECK_EQ(d->size, was->size);
        DX_CHECK_MEM(d->data, was->data, was->size);
        dx_cas_close(&s);
        sim_free(was);
        sim_free(d);
    }
}

/* Two stores that were one diverged with the same objects. The log of one is damaged where they diverged: the records after the
   damage belong to another branch, whose commits are chained, so nothing from the other store replaces them. */
DX_TEST(w_77_repair_leaves_another_branch_of_the_history_alone)
{
    uint8_t objects[4][400];
    static const size_t sizes[4] = {400, 300, 300, 300}; /* the other store's object alone does not fit into the gap */
    dx_cas_store s, other;
    dx_cas_desc desc = {0};
    dx_cas_repair_report report;
    dx_cas_id id;
    sim *d = sim_new(1 << 16), *e = sim_new(1 << 16);
    for (unsigned i = 0; i < 4; i++) fill(objects[i], sizeof objects[i], 50 + i);
    OK(open_roomy(&s, d, DX_CAS_WRITE | DX_CAS_CREATE, store_memory));
    OK(transaction(&s, 1));
    size_t parted = d->size;
    memcpy(e->data, d->data, e->size = parted);
    for (unsigned i = 1; i < 4; i++) {
        OK(dx_cas_put(&s, objects[i], sizes[i], &id));
        OK(dx_cas_commit(&s));
    }
    dx_cas_close(&s);
    OK(open_roomy(&other, e, DX_CAS_WRITE, store_memory2));
    for (unsigned i = 0; i < 4; i++) OK(dx_cas_put(&other, objects[i], sizes[i], &id));
    OK(dx_cas_commit(&other));
    memset(d->data + parted, 0, 64); /* the first object header after the divergence */
    sim *was = sim_new(1 << 16);
    memcpy(was->data, d->data, was->size = d->size);
    desc.device = sim_device(d);
    desc.memory = store_memory;
    desc.memory_size = 64 * 1024;
    DX_CHECK_EQ(dx_cas_repair(&s, &desc, &other, NULL, NULL, &report), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(report.lost, 1);
    DX_CHECK_EQ(d->size, was->size);
    DX_CHECK_MEM(d->data, was->data, was->size);
    dx_cas_close(&s);
    dx_cas_close(&other);
    sim_free(was);
    sim_free(d);
    sim_free(e);
}

/* The same, and a name is all that only this branch has. */
DX_TEST(w_77_repair_leaves_a_name_that_only_another_branch_has_alone)
{
    uint8_t objects[2][400];
    static const size_t sizes[2] = {300, 400}; /* the other store's name does not fit into the gap */
    dx_cas_store s, other;
    dx_cas_desc desc = {0};
    dx_cas_repair_report report;
    dx_cas_id id;
    sim *d = sim_new(1 << 16), *e = sim_new(1 << 16);
    for (unsigned i = 0; i < 2; i++) fill(objects[i], sizeof objects[i], 70 + i);
    OK(open_roomy(&s, d, DX_CAS_WRITE | DX_CAS_CREATE, store_memory));
    OK(transaction(&s, 1));
    size_t parted = d->size;
    memcpy(e->data, d->data, e->size = parted);
    OK(dx_cas_put(&s, objects[0], sizes[0], &id));
    dx_cas_ref name = make_ref("only here", &id, sizes[0]);
    OK(dx_cas_ref_set(&s, &name, 0, NULL));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    OK(open_roomy(&other, e, DX_CAS_WRITE, store_memory2));
    OK(dx_cas_put(&other, objects[1], sizes[1], &id));
    OK(dx_cas_commit(&other));
    memset(d->data + parted, 0, 64); /* the object's header */
    sim *was = sim_new(1 << 16);
    memcpy(was->data, d->data, was->size = d->size);
    desc.device = sim_device(d);
    desc.memory = store_memory;
    desc.memory_size = 64 * 1024;
    DX_CHECK_EQ(dx_cas_repair(&s, &desc, &other, NULL, NULL, &report), DX_CAS_ECORRUPT);
    dx_cas_close(&s);
    DX_CHECK_EQ(d->size, was->size);
    DX_CHECK_MEM(d->data, was->data, was->size);
    dx_cas_close(&other);
    sim_free(was);
    sim_free(d);
    sim_free(e);
}

/* A stale record has reappeared in the store or in its backup, and the other one is damaged after it. Neither is right everywhere;
   together they are. */
DX_TEST(w_77_a_record_of_old_on_either_side_hinders_no_repair)
{
    uint8_t objects[2][300], old[364];
    dx_cas_store s, other;
    dx_cas_desc desc = {0};
    dx_cas_repair_report report;
    dx_cas_id id;
    for (unsigned i = 0; i < 2; i++) fill(objects[i], sizeof objects[i], 60 + i);
    for (int here = 0; here < 2; here++) {
        sim *d = sim_new(1 << 16), *e = sim_new(1 << 16), *was = sim_new(1 << 16);
        OK(open_roomy(&s, d, DX_CAS_WRITE | DX_CAS_CREATE, store_memory));
        OK(transaction(&s, 1));
        size_t place = d->size, second = place + 368;
        OK(dx_cas_put(&s, objects[0], sizeof objects[0], &id)); /* never committed */
        dx_cas_close(&s);
        memcpy(old, d->data + place, sizeof old);
        OK(open_roomy(&s, d, DX_CAS_WRITE, store_memory));
        OK(dx_cas_put(&s, objects[1], sizeof objects[1], &id));
        dx_cas_ref name = make_ref("z", &id, sizeof objects[1]);
        OK(dx_cas_ref_set(&s, &name, 0, NULL)); /* names do not prove themselves as objects do */
        OK(dx_cas_commit(&s));
        OK(transaction(&s, 2));
        dx_cas_close(&s);
        memcpy(was->data, d->data, was->size = d->size);
        memcpy(e->data, d->data, e->size = d->size);
        DX_CHECK(memcmp(old, d->data + place, sizeof old) != 0 && memcmp(d->data + second, "DXCR", 4) == 0);
        memcpy((here ? d : e)->data + place, old, sizeof old);
        memset((here ? e : d)->data + second, 0, 64);
        OK(open_roomy(&other, e, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE, store_memory2));
        desc.device = sim_device(d);
        desc.memory = store_memory;
        desc.memory_size = 64 * 1024;
        OK(dx_cas_repair(&s, &desc, &other, NULL, NULL, &report));
        DX_CHECK_MEM(d->data, was->data, was->size);
        dx_cas_close(&s);
        dx_cas_close(&other);
        sim_free(was);
        sim_free(d);
        sim_free(e);
    }
}

/* Another store has the object in another form: if the damaged record is compressed, its bytes cannot be restored. That is
   reported, and nothing counts as repaired. */
DX_TEST(w_77_repair_counts_nothing_that_it_could_not_write)
{
    static uint8_t zeros[9000], out[9000];
    static const dx_cas_codec codec = {200, rle_pack, rle_unpack, NULL, NULL};
    dx_cas_store s, other;
    dx_cas_desc desc = {0};
    dx_cas_repair_report report;
    dx_cas_id id;
    size_t got;
    sim *d = sim_new(1 << 16), *e = sim_new(1 << 16);
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 256 * 1024;
    desc.object_size_max = sizeof zeros;
    desc.codecs = &codec;
    desc.codec_count = 1;
    OK(dx_cas_open(&s, &desc));
    OK(dx_cas_put(&s, zeros, sizeof zeros, &id));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    OK(open_roomy(&other, e, DX_CAS_WRITE | DX_CAS_CREATE, store_memory2)); /* without the codec */
    OK(dx_cas_put(&other, zeros, sizeof zeros, &id));
    OK(dx_cas_commit(&other));
    d->data[128 + 64] ^= 1; /* the compressed payload */
    DX_CHECK_EQ(dx_cas_repair(&s, &desc, &other, NULL, NULL, &report), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(report.repaired, 0);
    DX_CHECK_EQ(report.lost, 1);
    DX_CHECK_EQ(dx_cas_get(&s, &id, out, sizeof out, &got), DX_CAS_ECORRUPT);
    dx_cas_close(&s);
    dx_cas_close(&other);
    sim_free(d);
    sim_free(e);
}

/* The other store's record has another size for the same object, and a valid checksum: one of them is wrong, so nothing is
   copied. */
DX_TEST(w_77_repair_takes_no_object_of_another_size)
{
    static uint8_t zeros[9000];
    static const dx_cas_codec codec = {200, rle_pack, rle_unpack, NULL, NULL};
    dx_cas_store s, other;
    dx_cas_desc desc = {0};
    dx_cas_repair_report report;
    dx_cas_id id;
    sim *d = sim_new(1 << 16), *e = sim_new(1 << 16);
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 256 * 1024;
    desc.object_size_max = sizeof zeros;
    desc.codecs = &codec;
    desc.codec_count = 1;
    OK(dx_cas_open(&s, &desc));
    OK(dx_cas_put(&s, zeros, sizeof zeros, &id));
    OK(dx_cas_commit(&s));
    memcpy(e->data, d->data, e->size = d->size);
    DX_CHECK_EQ(dx_cas_p_load32(e->data + 128 + 16), sizeof zeros);
    dx_cas_p_store32(e->data + 128 + 16, sizeof zeros - 1);
    mend_headers(&s, e);
    dx_cas_close(&s);
    dx_cas_desc backup = desc;
    backup.device = sim_device(e);
    backup.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
    backup.memory = store_memory2;
    backup.memory_size = 128 * 1024;
    OK(dx_cas_open(&other, &backup));
    OK(dx_cas_has(&other, &id));
    d->data[128 + 64] ^= 1; /* the compressed payload */
    DX_CHECK_EQ(dx_cas_repair(&s, &desc, &other, NULL, NULL, &report), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(report.repaired, 0);
    DX_CHECK_EQ(report.lost, 1);
    dx_cas_close(&s);
    dx_cas_close(&other);
    sim_free(d);
    sim_free(e);
}

DX_PROPERTY(w_75_hostile_fields_with_fitting_crcs, 300)
{
    dx_cas_store s; /* never opened: only for the tag */
    sim *d = hostile_image(&s);
    uint64_t n = dx_choose(c, 6);
    while (n--) {
        static const uint64_t nasty[] = {0, 1, 40, 64, 0xffff, 1u << 16, 0x7fffffff, 0xffffffff,
                                         (uint64_t)1 << 47, (uint64_t)1 << 48, UINT64_MAX - 63, UINT64_MAX};
        size_t at = (size_t)dx_choose(c, d->size / 8 - 1) * 8;
        uint64_t value = nasty[dx_choose(c, 11)];
        if (dx_choose(c, 1)) { /* skip to the next header: payloads have many fields, headers few */
            while (at + 128 < d->size && memcmp(d->data + at, "DXCR", 4) != 0) at += 8;
            at += (size_t)dx_choose(c, 15) * 8;
        }
        if (at + 8 > d->size) continue;
        switch (dx_choose(c, 3)) {
        case 0: d->data[at + dx_choose(c, 7)] = (uint8_t)dx_choose(c, 255); break;
        case 1: dx_cas_p_store64(d->data + at, value); break;
        case 2: dx_cas_p_store64(d->data + at, dx_choose(c, d->size)); break;
        default: d->size = at; n = 0; break;
        }
    }
    mend_headers(&s, d);
    use_hostile(d, dx_choose(c, 1) ? DX_CAS_WRITE | DX_CAS_CREATE : DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
    sim_free(d);
}

/* >>vectors of docs/formats/cas.md --------------------------------------------- */
/* The document's test data: the first bytes of BLAKE3's extended output for empty input. */
static void document_data(uint8_t *out, size_t size)
{
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    dx_cas_blake3_final(&h, out, size);
}

DX_TEST(ck_2_document_gear_and_cuts)
{
    uint8_t want[64], got[64];
    static uint32_t cuts[100];
    size_t size = 1 << 20, n;
    uint8_t *data = (uint8_t *)malloc(size);
    dx_cas_chunker k;
    document_data(data, size);
    OK(dx_cas_chunker_init(&k, NULL));
    for (size_t i = 0; i < 4; i++) dx_cas_p_store64(got + 8 * i, k.gear_[i]);
    DX_CHECK_EQ(dx_test_vector("docs/formats/cas.md", "gear", want, sizeof want), 32);
    DX_CHECK_MEM(got, want, 32);
    n = cuts_of(&k, data, size, cuts);
    DX_CHECK_EQ(dx_test_vector("docs/formats/cas.md", "cuts", want, sizeof want), 32);
    DX_CHECK(n >= 8);
    for (size_t i = 0; i < 8; i++) DX_CHECK_EQ(dx_cas_p_load32(want + 4 * i), cuts[i]);
    free(data);
}

DX_TEST(mk_2_document_tree)
{
    dx_cas_id leaves[7], root, proof[8];
    uint8_t want[200];
    size_t n;
    for (size_t i = 0; i < 7; i++) {
        uint8_t byte = (uint8_t)i;
        dx_merkle_leaf(&byte, 1, &leaves[i]);
    }
    dx_merkle_root_of(leaves, 7, &root);
    DX_CHECK_EQ(dx_test_vector("docs/formats/merkle.md", "merkle-root", want, sizeof want), 32);
    DX_CHECK_MEM(root.bytes, want, 32);
    OK(dx_merkle_prove(leaves, 7, 6, proof, 8, &n));
    DX_CHECK_EQ(dx_test_vector("docs/formats/merkle.md", "merkle-proof", want, sizeof want), 32 * n);
    DX_CHECK_MEM(proof, want, 32 * n);
}

/* The document's store: three chunks and a list node under one name, in two commits. */
static void document_store(sim *d)
{
    dx_cas_desc desc = {0};
    dx_cas_store s;
    dx_cas_writer_desc wd = {0};
    dx_cas_writer w;
    dx_cas_content content;
    dx_cas_ref r;
    uint8_t *block;
    desc.device = sim_device(d);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = sizeof store_memory;
    for (size_t i = 0; i < 16; i++) desc.store_id[i] = (uint8_t)i;
    OK(dx_cas_open(&s, &desc));
    wd.store = &s;
    wd.chunker.mode = DX_CAS_CHUNK_FIXED;
    wd.chunker.size_avg = 5;
    wd.memory_size = dx_cas_writer_memory_size(&wd);
    wd.memory = block = (uint8_t *)malloc(wd.memory_size);
    OK(dx_cas_writer_begin(&w, &wd));
    OK(dx_cas_writer_write(&w, "hello, world", 12, NULL));
    OK(dx_cas_writer_finish(&w, &content));
    r = make_ref("greeting", &content.root, content.size);
    r.content = content.content;
    r.time_ns = 1000000000000000000u;
    OK(dx_cas_ref_set(&s, &r, 0, NULL));
    OK(dx_cas_commit(&s));
    OK(dx_cas_ref_delete(&s, "greeting", 1));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    free(block);
}

DX_TEST(ca_3_document_store)
{
    sim *d = sim_new(1 << 16);
    static uint8_t want[8192];
    document_store(d);
    if (getenv("DX_CAS_PRINT")) { /* to regenerate the document's vectors */
        for (size_t i = 0; i < d->size; i++) printf("%02x%s", d->data[i], i % 32 == 31 ? "\n" : i % 8 == 7 ? " " : "");
        printf("\n");
    }
    DX_CHECK_EQ(dx_test_vector("docs/formats/cas.md", "store", want, sizeof want), d->size);
    DX_CHECK_MEM(d->data, want, d->size);
    sim_free(d);
}
