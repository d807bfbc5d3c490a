/* Tests of dx_cas.h, >>deltas: objects of a store as deltas of others (docs/formats/cas.md, section 16). Crash runs with deltas are in
   test_cas_crash.c.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_cas_delta.c -o build/test_cas_delta */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

enum { OBJECT_MAX = 4096 };

/* The common prefix and suffix are copied, the rest is literal: 32-bit sizes of both, then the middle. */
static int splice_encode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    const uint8_t *b = (const uint8_t *)base, *p = (const uint8_t *)in;
    uint8_t *o = (uint8_t *)out;
    size_t least = base_size < n ? base_size : n, front = 0, behind = 0;
    while (front < least && b[front] == p[front]) front++;
    while (behind < least - front && b[base_size - 1 - behind] == p[n - 1 - behind]) behind++;
    if (capacity < 8 || n - front - behind > capacity - 8) return DX_CAS_ENOSPACE;
    dx_cas_p_store32(o, (uint32_t)front);
    dx_cas_p_store32(o + 4, (uint32_t)behind);
    if (n > front + behind) memcpy(o + 8, p + front, n - front - behind);
    *got = 8 + n - front - behind;
    if (user && *got > 8) o[8] ^= 1; /* a faulty coder */
    return DX_CAS_OK;
}

static int splice_decode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    const uint8_t *b = (const uint8_t *)base, *p = (const uint8_t *)in;
    uint8_t *o = (uint8_t *)out;
    size_t front, behind;
    (void)user;
    if (n < 8) return DX_CAS_ECORRUPT;
    front = dx_cas_p_load32(p);
    behind = dx_cas_p_load32(p + 4);
    n -= 8;
    if (front > base_size || behind > base_size || front > capacity || n > capacity - front || behind > capacity - front - n) return DX_CAS_ECORRUPT;
    if (front) memcpy(o, b, front);
    if (n) memcpy(o + front, p + 8, n);
    if (behind) memcpy(o + front + n, b + base_size - behind, behind);
    *got = front + n + behind;
    return DX_CAS_OK;
}

typedef struct kit {
    dx_devices_memory      ram;
    dx_cas_store       s;
    dx_cas_desc        desc;
    dx_cas_delta       delta;
    dx_cas_delta_desc  how;
    dx_cas_delta_coder coder;
    dx_cas_codec       codecs[1];
    bool               without;
} kit;

static int kit_open(kit *k, uint32_t mode)
{
    dx_cas_close(&k->s);
    k->how.store = &k->s;
    k->how.coders = &k->coder;
    k->how.coder_count = 1;
    OK(dx_cas_delta_init(&k->delta, &k->how));
    k->codecs[0] = dx_cas_delta_codec(&k->delta);
    k->desc.device = dx_devices_memory_device(&k->ram);
    k->desc.codecs = k->without ? NULL : k->codecs;
    k->desc.codec_count = !k->without;
    k->desc.mode = mode;
    return dx_cas_open(&k->s, &k->desc);
}

static void kit_begin(kit *k)
{
    dx_cas_delta_coder coder = {200, splice_encode, splice_decode, NULL};
    memset(k, 0, sizeof *k);
    k->coder = coder;
    k->ram.capacity = 1 << 20;
    k->ram.data = calloc(1, k->ram.capacity);
    k->how.object_size_max = OBJECT_MAX;
    k->how.memory_size = dx_cas_delta_memory_size(&k->how);
    k->how.memory = malloc(k->how.memory_size);
    k->desc.objects_max = 500;
    k->desc.object_size_max = OBJECT_MAX;
    k->desc.codec_count = 1; /* its work memory */
    k->desc.memory_size = dx_cas_memory_size(&k->desc);
    k->desc.memory = malloc(k->desc.memory_size);
    OK(kit_open(k, DX_CAS_WRITE | DX_CAS_CREATE));
}

static void kit_end(kit *k)
{
    dx_cas_close(&k->s);
    free(k->ram.data);
    free(k->how.memory);
    free(k->desc.memory);
}

/* Version n: 3000 bytes that differ from version n - 1 in one place. */
static void version_of(unsigned n, uint8_t out[3000])
{
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    dx_cas_blake3_final(&h, out, 3000);
    for (unsigned i = 1; i <= n; i++) out[i * 37 % 3000] = (uint8_t)(i * 29 + 1);
}

static void put_version(kit *k, unsigned n, const dx_cas_id *base, dx_cas_id *id)
{
    uint8_t data[3000];
    version_of(n, data);
    if (base) OK(dx_cas_delta_put(&k->delta, data, sizeof data, base, 0, id));
    else OK(dx_cas_put(&k->s, data, sizeof data, id));
}

static int get_version(kit *k, unsigned n, const dx_cas_id *id)
{
    uint8_t data[3000], out[OBJECT_MAX];
    size_t size = 0;
    version_of(n, data);
    int error = dx_cas_get(&k->s, id, out, sizeof out, &size);
    if (error == DX_CAS_OK) DX_CHECK_EQ(size, sizeof data);
    if (error == DX_CAS_OK) DX_CHECK_MEM(out, data, sizeof data);
    return error;
}

static void set_name(kit *k, const dx_cas_id *id)
{
    dx_cas_ref ref;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, "x");
    ref.root = *id;
    OK(dx_cas_ref_set(&k->s, &ref, DX_CAS_ANY_VERSION, NULL));
}

DX_TEST(dk_6_versions_are_deltas_of_each_other_up_to_a_depth)
{
    kit k;
    dx_cas_id ids[60], base;
    dx_cas_stats stats;
    uint32_t depth, deepest = 0, full = 0;
    kit_begin(&k);
    for (unsigned n = 0; n < 60; n++) put_version(&k, n, n ? &ids[n - 1] : NULL, &ids[n]);
    OK(dx_cas_commit(&k.s));
    dx_cas_get_stats(&k.s, &stats);
    DX_CHECK_EQ(stats.objects, 60);
    DX_CHECK_EQ(stats.logical_bytes, 180000);
    DX_CHECK(stats.stored_bytes < 60000);
    for (int round = 0; round < 2; round++) {
        for (unsigned n = 0; n < 60; n++) {
            OK(get_version(&k, n, &ids[n]));
            int error = dx_cas_delta_base(&k.delta, &ids[n], &base, &depth);
            if (error == DX_CAS_ENOTFOUND) full++;
            else OK(error);
            if (error == DX_CAS_OK && depth > deepest) deepest = depth;
        }
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
        OK(kit_open(&k, round ? DX_CAS_READ : DX_CAS_WRITE));
    }
    DX_CHECK_EQ(deepest, 15);
    DX_CHECK_EQ(full, 2);
    kit_end(&k);
}

DX_TEST(dk_6_what_cannot_be_a_delta_is_stored_as_ever)
{
    kit k;
    dx_cas_id a, b, nobody, base;
    uint32_t depth;
    uint8_t other[3000], large[OBJECT_MAX];
    kit_begin(&k);
    put_version(&k, 0, NULL, &a);
    memset(&nobody, 7, sizeof nobody);
    put_version(&k, 1, &nobody, &b); /* no such base */
    DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &b, &base, &depth), DX_CAS_ENOTFOUND);
    memset(other, 5, sizeof other);
    OK(dx_cas_delta_put(&k.delta, other, sizeof other, &a, 0, &b)); /* too different */
    DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &b, &base, &depth), DX_CAS_ENOTFOUND);
    version_of(2, other);
    OK(dx_cas_delta_put(&k.delta, other, sizeof other, &a, 40, &b)); /* not in so few bytes */
    DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &b, &base, &depth), DX_CAS_ENOTFOUND);
    OK(dx_cas_delta_put(&k.delta, other, sizeof other, &a, 0, &b)); /* it exists already */
    DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &b, &base, &depth), DX_CAS_ENOTFOUND);
    k.coder.user = &k; /* a faulty coder is detected before anything is stored */
    version_of(3, other);
    OK(dx_cas_delta_put(&k.delta, other, sizeof other, &a, 0, &b));
    DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &b, &base, &depth), DX_CAS_ENOTFOUND);
    OK(get_version(&k, 3, &b));
    k.coder.user = NULL;
    memset(large, 1, sizeof large);
    memcpy(large, other, 3000);
    OK(dx_cas_delta_put(&k.delta, large, sizeof large, &b, 0, &a)); /* as large as allowed */
    DX_CHECK_EQ(dx_cas_delta_put(&k.delta, large, sizeof large + 1, &b, 0, &a), DX_CAS_ETOOBIG);
    DX_CHECK_EQ(dx_cas_delta_put(&k.delta, other, 10, NULL, 0, &a), DX_CAS_EINVAL);
    OK(dx_cas_delta_put(&k.delta, "", 0, &b, 0, &a));
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    kit_end(&k);
}

/* Coders that fill the space they are offered: the first may use up to the limit, the next must use less than the first. */
static size_t offered[2], taken;
static const uint8_t *wanted;

static int greedy_encode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    size_t *mine = (size_t *)user;
    (void)base, (void)base_size, (void)in, (void)n;
    *mine = capacity;
    *got = mine == &offered[0] && taken < capacity ? taken : capacity;
    memset(out, 7, *got);
    return DX_CAS_OK;
}

static int greedy_decode(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    (void)user, (void)base, (void)base_size, (void)in, (void)n;
    memcpy(out, wanted, capacity);
    *got = capacity;
    return DX_CAS_OK;
}

DX_TEST(ca_3_coders_are_offered_what_the_limit_leaves)
{
    const dx_cas_delta_coder coders[2] = {{200, greedy_encode, greedy_decode, &offered[0]}, {201, greedy_encode, greedy_decode, &offered[1]}};
    for (size_t limit = 0; limit < 3000; limit += limit < 64 ? 1 : 97) {
        for (taken = 20; taken <= 4000; taken += 1990) {
            kit k;
            dx_cas_id base, id, of;
            uint32_t depth;
            uint8_t data[3000];
            kit_begin(&k);
            dx_cas_close(&k.s);
            k.how.coders = coders;
            k.how.coder_count = 2;
            OK(dx_cas_delta_init(&k.delta, &k.how));
            k.codecs[0] = dx_cas_delta_codec(&k.delta);
            OK(dx_cas_open(&k.s, &k.desc));
            put_version(&k, 0, NULL, &base);
            version_of(1, data);
            wanted = data;
            offered[0] = offered[1] = SIZE_MAX;
            OK(dx_cas_delta_put(&k.delta, data, sizeof data, &base, limit, &id));
            if (offered[0] != SIZE_MAX) { /* at least one coder was called */
                DX_CHECK_EQ(offered[0] + DX_CAS_DELTA_HEAD, limit ? limit : sizeof data - 1);
                DX_CHECK_EQ(offered[1], (taken < offered[0] ? taken : offered[0]) - 1);
                OK(dx_cas_delta_base(&k.delta, &id, &of, &depth));
            } else {
                DX_CHECK(limit > 0 && limit <= DX_CAS_DELTA_HEAD);
                DX_CHECK_EQ(dx_cas_delta_base(&k.delta, &id, &of, &depth), DX_CAS_ENOTFOUND);
            }
            OK(get_version(&k, 1, &id));
            kit_end(&k);
        }
    }
}

typedef struct heard {
    unsigned missing, objects, unknown, others;
    dx_cas_id id;
} heard;

static int hear(void *user, const dx_cas_damage *d)
{
    heard *h = (heard *)user;
    if (d->kind == DX_CAS_DAMAGE_MISSING) h->missing++;
    else if (d->kind == DX_CAS_DAMAGE_OBJECT) h->objects++;
    else if (d->kind == DX_CAS_DAMAGE_UNKNOWN) h->unknown++;
    else h->others++;
    if (d->kind == DX_CAS_DAMAGE_MISSING) h->id = d->id;
    return 0;
}

DX_TEST(dk_6_a_base_that_is_missing_or_damaged_is_named)
{
    kit k, alone;
    heard h;
    dx_cas_id a, b, id;
    dx_cas_ext_record r;
    kit_begin(&k);
    kit_begin(&alone);
    put_version(&k, 0, NULL, &a);
    put_version(&k, 1, &a, &b);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_p_find(&k.s, &b, &r, NULL));
    DX_CHECK_EQ(r.codec, 2);
    OK(dx_cas_p_copy_object(&k.s, &r, &alone.s)); /* as no call does */
    OK(dx_cas_commit(&alone.s));
    DX_CHECK_EQ(get_version(&alone, 1, &b), DX_CAS_EBASE);
    DX_CHECK_STR(dx_cas_error_name(DX_CAS_EBASE), "DX_CAS_EBASE");
    memset(&h, 0, sizeof h);
    DX_CHECK_EQ(dx_cas_verify(&alone.s, hear, &h, NULL), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(h.missing, 1);
    DX_CHECK_EQ(h.objects + h.others + h.unknown, 0);
    DX_CHECK(dx_cas_id_equal(&h.id, &a));
    put_version(&alone, 0, NULL, &id); /* putting it again heals it */
    OK(get_version(&alone, 1, &b));
    kit_end(&alone);

    OK(dx_cas_p_find(&k.s, &a, &r, NULL));
    ((uint8_t *)k.ram.data)[r.place + 100] ^= 1;
    DX_CHECK_EQ(get_version(&k, 0, &a), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(get_version(&k, 1, &b), DX_CAS_EBASE);
    memset(&h, 0, sizeof h);
    DX_CHECK_EQ(dx_cas_verify(&k.s, hear, &h, NULL), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(h.objects, 1);
    DX_CHECK_EQ(h.missing, 1);
    kit_end(&k);
}

/* A failing device is reported as such, wherever it fails in a chain: no damage is proven. */
static uint64_t unreadable;
static int (*read_of_ram)(void *user, uint64_t offset, void *out, size_t size, size_t *got);
static int read_or_fail(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    if (unreadable >= offset && unreadable - offset < size) return DX_CAS_ESYS;
    return read_of_ram(user, offset, out, size, got);
}

DX_TEST(dk_6_a_device_that_fails_below_a_delta_is_no_missing_base)
{
    kit k;
    dx_cas_id a, b;
    dx_cas_ext_record r;
    kit_begin(&k);
    put_version(&k, 0, NULL, &a);
    put_version(&k, 1, &a, &b);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_p_find(&k.s, &a, &r, NULL));
    unreadable = r.place + 100;
    read_of_ram = k.s.desc_.device.read;
    k.s.desc_.device.read = read_or_fail;
    DX_CHECK_EQ(get_version(&k, 0, &a), DX_CAS_ESYS);
    DX_CHECK_EQ(get_version(&k, 1, &b), DX_CAS_ESYS);
    unreadable = 0;
    k.s.desc_.device.read = read_of_ram;
    OK(get_version(&k, 1, &b));
    kit_end(&k);
}

DX_TEST(dk_6_every_flipped_bit_of_a_delta)
{
    kit k;
    dx_cas_id a, b;
    dx_cas_ext_record r;
    kit_begin(&k);
    put_version(&k, 0, NULL, &a);
    put_version(&k, 1, &a, &b);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_p_find(&k.s, &b, &r, NULL));
    for (uint64_t i = 0; i < r.stored * 8; i++) {
        uint8_t *at = (uint8_t *)k.ram.data + r.place + 64 + i / 8;
        *at ^= (uint8_t)(1u << i % 8);
        int error = get_version(&k, 1, &b);
        DX_CHECK_EQ(error, DX_CAS_ECORRUPT);
        *at ^= (uint8_t)(1u << i % 8);
    }
    OK(get_version(&k, 1, &b));
    kit_end(&k);
}

DX_TEST(dk_6_collection_keeps_bases)
{
    kit k, fresh;
    dx_cas_id ids[20], base;
    dx_cas_stats stats;
    uint32_t depth = 0, there;
    kit_begin(&k);
    kit_begin(&fresh);
    for (unsigned n = 0; n < 20; n++) {
        put_version(&k, n, n ? &ids[n - 1] : NULL, &ids[n]);
        set_name(&k, &ids[n]);
    }
    OK(dx_cas_ref_trim(&k.s, "x", 20)); /* the last one alone */
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_compact_into(&k.s, &fresh.s));
    OK(dx_cas_delta_base(&k.delta, &ids[19], &base, &depth));
    OK(dx_cas_delta_base(&fresh.delta, &ids[19], &base, &there));
    DX_CHECK_EQ(there, depth);
    dx_cas_get_stats(&fresh.s, &stats);
    DX_CHECK_EQ(stats.objects, depth + 1);
    OK(get_version(&fresh, 19, &ids[19]));
    OK(dx_cas_verify(&fresh.s, NULL, NULL, NULL));
    kit_end(&fresh);

    kit_begin(&fresh); /* one by one, into a store that has some of it in another form */
    fresh.how.depth_max = 31;
    OK(kit_open(&fresh, DX_CAS_WRITE));
    for (unsigned n = 0; n < 31; n++) put_version(&fresh, n ? 31 - n : 0, n ? &base : NULL, &base);
    for (unsigned n = 0; n < 20; n++) OK(dx_cas_delta_copy(&k.delta, &ids[n], &fresh.s));
    for (unsigned n = 0; n < 20; n++) OK(get_version(&fresh, n, &ids[n]));
    OK(dx_cas_commit(&fresh.s));
    OK(dx_cas_verify(&fresh.s, NULL, NULL, NULL));
    kit_end(&fresh);
    kit_end(&k);
}

DX_TEST(dk_6_who_has_no_coder_says_so_and_loses_nothing)
{
    kit k, fresh;
    heard h;
    dx_cas_id a, b;
    kit_begin(&k);
    kit_begin(&fresh);
    put_version(&k, 0, NULL, &a);
    put_version(&k, 1, &a, &b);
    set_name(&k, &b);
    OK(dx_cas_commit(&k.s));
    k.without = true;
    OK(kit_open(&k, DX_CAS_READ));
    OK(get_version(&k, 0, &a));
    DX_CHECK_EQ(get_version(&k, 1, &b), DX_CAS_ENOTSUP);
    memset(&h, 0, sizeof h);
    DX_CHECK_EQ(dx_cas_verify(&k.s, hear, &h, NULL), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(h.unknown, 1);
    DX_CHECK_EQ(h.objects + h.missing + h.others, 0);
    DX_CHECK_EQ(dx_cas_compact_into(&k.s, &fresh.s), DX_CAS_ENOTSUP);
    k.without = false;
    k.coder.number = 201; /* another coder */
    OK(kit_open(&k, DX_CAS_READ));
    DX_CHECK_EQ(get_version(&k, 1, &b), DX_CAS_ENOTSUP);
    kit_end(&k);
    kit_end(&fresh);
}

DX_TEST(dk_6_document_delta)
{
    uint8_t want[64], is[64] = {0};
    dx_cas_id empty;
    size_t size = dx_test_vector("docs/formats/cas.md", "delta", want, sizeof want);
    dx_cas_hash(NULL, 0, &empty);
    memcpy(is, empty.bytes, 32);
    is[32] = 1;
    is[33] = 200;
    memcpy(is + 38, "\1\2\3", 3);
    dx_cas_p_store32(is + 34, dx_cas_p_delta_crc(is, 41));
    DX_CHECK_EQ(size, 41);
    DX_CHECK_MEM(is, want, 41);
    DX_CHECK(dx_cas_p_delta_whole(want, 41));
}

/* A delta of itself, two of each other, a chain of a hundred: all terminate. */
DX_TEST(dk_6_chains_that_were_made_to_have_no_end)
{
    kit k;
    dx_cas_id ids[100];
    uint8_t data[100] = {0}, out[OBJECT_MAX];
    size_t size;
    kit_begin(&k);
    for (unsigned n = 0; n < 100; n++) {
        dx_cas_ext_record r;
        memset(&ids[n], (int)n + 1, sizeof ids[n]);
        memset(&r, 0, sizeof r);
        r.type = DX_CAS_EXT_BLOB;
        r.codec = 2;
        r.stored = DX_CAS_DELTA_HEAD + 8;
        r.logical = 10;
        r.id = ids[n];
        memset(data, n == 0 ? 1 : n == 1 ? 3 : (int)n, 32); /* itself; each other; the one before */
        data[32] = (uint8_t)(n % 31 + 1);
        data[33] = 200;
        dx_cas_p_store32(data + 34, dx_cas_p_delta_crc(data, DX_CAS_DELTA_HEAD + 8));
        OK(dx_cas_p_reserve(&k.s, 1));
        OK(dx_cas_p_append(&k.s, &r, data, false));
        OK(dx_cas_p_add_object(&k.s, &r));
    }
    OK(dx_cas_commit(&k.s));
    for (unsigned n = 0; n < 100; n++) DX_CHECK_EQ(dx_cas_get(&k.s, &ids[n], out, sizeof out, &size), DX_CAS_EBASE);
    DX_CHECK_EQ(dx_cas_verify(&k.s, NULL, NULL, NULL), DX_CAS_ECORRUPT);
    kit_end(&k);
}

/* Similar objects with any hints, collected and reopened: each keeps its content. */
DX_PROPERTY(dk_6_any_objects_with_any_hints, 300)
{
    enum { MOST = 24 };
    static uint8_t objects[MOST][OBJECT_MAX];
    size_t sizes[MOST], size;
    uint8_t out[OBJECT_MAX];
    dx_cas_id ids[MOST];
    kit k, fresh;
    unsigned n = (unsigned)dx_choose_range(c, 1, MOST);
    kit_begin(&k);
    k.how.depth_max = (uint32_t)dx_choose_range(c, 1, 31);
    OK(kit_open(&k, DX_CAS_WRITE));
    for (unsigned i = 0; i < n; i++) {
        unsigned from = (unsigned)dx_choose(c, i);
        if (from < i) {
            memcpy(objects[i], objects[from], OBJECT_MAX);
            sizes[i] = sizes[from];
            for (uint64_t edits = dx_choose(c, 3); sizes[i] && edits > 0; edits--) objects[i][dx_choose(c, sizes[i] - 1)] = (uint8_t)dx_choose(c, 255);
        } else {
            sizes[i] = (size_t)dx_choose(c, OBJECT_MAX);
            version_of(i, objects[i]);
        }
        if (dx_choose(c, 3) && i) OK(dx_cas_delta_put(&k.delta, objects[i], sizes[i], &ids[dx_choose(c, i - 1)], 0, &ids[i]));
        else OK(dx_cas_put(&k.s, objects[i], sizes[i], &ids[i]));
        set_name(&k, &ids[i]);
        if (dx_choose(c, 4) == 4) OK(dx_cas_commit(&k.s));
    }
    OK(dx_cas_commit(&k.s));
    if (dx_choose(c, 1)) OK(kit_open(&k, DX_CAS_WRITE));
    kit_begin(&fresh);
    uint64_t oldest = dx_choose_range(c, 1, n);
    OK(dx_cas_ref_trim(&k.s, "x", oldest));
    OK(dx_cas_compact_into(&k.s, &fresh.s));
    for (unsigned i = 0; i < n; i++) {
        OK(dx_cas_get(&k.s, &ids[i], out, sizeof out, &size));
        DX_CHECK_EQ(size, sizes[i]);
        DX_CHECK_MEM(out, objects[i], size);
        if (i + 1 < oldest) continue;
        OK(dx_cas_get(&fresh.s, &ids[i], out, sizeof out, &size));
        DX_CHECK_MEM(out, objects[i], size);
    }
    OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    OK(dx_cas_verify(&fresh.s, NULL, NULL, NULL));
    kit_end(&fresh);
    kit_end(&k);
}
