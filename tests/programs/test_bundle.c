/* Requests and answers of docs/formats/sync.md, with a store of a few objects in memory. */
#define DX_PATCH_IMPLEMENTATION
#define DX_TELEPORT_IMPLEMENTATION
#include "../../programs/sync/bundle.c"
#include "../../programs/sync/wire.h"

#define DX_TEST_MAIN
#include "../dx_test.h"

/* No message: most answers here are wrong. */
int prog_fail(int status, const char *format, ...)
{
    (void)format;
    return status;
}

void *prog_alloc(size_t size)
{
    void *p = malloc(size);
    if (!p) abort();
    return p;
}

/* >>store: objects whose id is one byte, 32 times; the last exceeds the size of an answer ------ */
enum { OBJECTS = 6, LARGE = 0x44, TEXT_SIZE = 40000 };
static char before[TEXT_SIZE + 1], after[TEXT_SIZE + 1]; /* see fill_texts() */

static const struct {
    uint8_t     id;
    const char *bytes;
} objects[OBJECTS] = {{0x11, "one\n"}, {0x22, ""}, {0x33, "three lines\n"}, {LARGE, NULL},
             {0x66, before}, {0x77, after}};

static int look_up(const uint8_t id[PROG_HASH_SIZE])
{
    for (int i = 0; i < OBJECTS; i++) {
        int k = 0;
        while (k < PROG_HASH_SIZE && id[k] == objects[i].id) k++;
        if (k == PROG_HASH_SIZE) return i;
    }
    return -1;
}

bool versions_object_size(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t *size)
{
    int i = look_up(id);
    (void)s;
    if (i >= 0) *size = objects[i].bytes ? strlen(objects[i].bytes) : UINT32_MAX;
    return i >= 0;
}

int versions_object_get(versions_store *s, const uint8_t id[PROG_HASH_SIZE], void *out, size_t capacity,
                        size_t *size)
{
    int i = look_up(id);
    (void)s;
    DX_CHECK(i >= 0 && objects[i].bytes && strlen(objects[i].bytes) <= capacity);
    *size = strlen(objects[i].bytes);
    memcpy(out, objects[i].bytes, *size);
    return PROG_OK;
}

/* Replaces zstd: one byte that tells the size of the bases, then the bytes. */
versions_packer *versions_packer_open(void) { return (versions_packer *)prog_alloc(1); }
void versions_packer_close(versions_packer *p) { free(p); }

size_t versions_pack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                            size_t prefix_size, const void *in, size_t size)
{
    (void)p, (void)prefix, (void)in;
    if (!prefix_size || size < TEXT_SIZE) return 0; /* it would be no smaller */
    memset(out, 0, capacity); /* it states little less than the body */
    return capacity;
}

size_t versions_unpack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                              size_t prefix_size, const void *in, size_t size)
{
    const uint8_t *bytes = in;
    (void)p, (void)prefix;
    if (!size || bytes[0] != prefix_size || size - 1 > capacity) return 0;
    memcpy(out, bytes + 1, size - 1);
    return size - 1;
}

/* >>vectors ------------------------------------------------------------ */
static void expect_vector(const char *name, const void *bytes, size_t size)
{
    uint8_t said[512];
    DX_CHECK_EQ(dx_test_vector("docs/formats/sync.md", name, said, sizeof said), size);
    DX_CHECK_MEM(said, bytes, size);
}

/* The document's example: two objects, one base. */
static dxup_bundle_request example(void)
{
    dxup_bundle_request r = {.transfer = 7, .want_count = 2, .base_count = 1};
    memset(r.ids[0], 0x11, 32);
    memset(r.ids[1], 0x55, 32); /* missing */
    memset(r.ids[2], 0x33, 32);
    return r;
}

DX_TEST(sy_1_vector_of_a_request)
{
    uint8_t bytes[DXUP_BUNDLE_REQUEST_MAX];
    dxup_bundle_request r = example(), back;
    size_t size = dxup_bundle_write_request(&r, bytes);
    expect_vector("request", bytes, size);
    DX_CHECK(dxup_bundle_read_request(&back, bytes, size));
    DX_CHECK_EQ(back.transfer, 7);
    DX_CHECK_EQ(back.want_count, 2);
    DX_CHECK_EQ(back.base_count, 1);
    DX_CHECK(!back.zstd && !memcmp(back.ids, r.ids, 96));
}

DX_TEST(sy_2_vector_of_an_answer)
{
    uint8_t *answer = NULL;
    size_t size = 0;
    dxup_bundle got;
    dxup_bundle_request r = example();
    dxup_bundler *b = dxup_bundler_open();
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    expect_vector("answer", answer, size);
    DX_CHECK_EQ(dxup_bundle_open(b, NULL, &r, answer, size, &got), PROG_OK);
    DX_CHECK_EQ(got.count, 2);
    DX_CHECK_EQ(got.sizes[0], 4);
    DX_CHECK_EQ(got.sizes[1], DXUP_BUNDLE_MISSING);
    DX_CHECK(!memcmp(got.bytes, "one\n", 4));
    free(answer);
    dxup_bundler_close(b);
}

DX_TEST(sy_3_vectors_of_method_4)
{
    uint8_t bytes[256], id[32];
    size_t size = 0;
    sync_request_writer ask;
    sync_reply_writer reply;
    memset(id, 0x11, sizeof id);
    sync_request_begin(&ask, bytes, sizeof bytes, DX_TELEPORT_BARE);
    sync_request_set_flags(&ask, DXUP_HAVE);
    sync_request_set_have(&ask, id);
    sync_request_put_name(&ask, "app", 3);
    DX_CHECK_EQ(sync_request_finish(&ask, &size), 0);
    expect_vector("which", bytes, size);
    sync_reply_begin(&reply, bytes, sizeof bytes, DX_TELEPORT_BARE);
    sync_reply_set_version(&reply, 3);
    sync_reply_set_size(&reply, 100000);
    sync_reply_set_mode(&reply, 0755);
    sync_reply_set_outcome(&reply, DXUP_SYNCED);
    sync_reply_set_known_base(&reply, true);
    memset(id, 0x22, sizeof id);
    sync_reply_set_hash(&reply, id);
    memset(id, 0x33, sizeof id);
    sync_reply_set_root(&reply, id);
    DX_CHECK_EQ(sync_reply_finish(&reply, &size), 0);
    expect_vector("this", bytes, size);
}

/* Text without repetitions, and the same with some letters changed. */
static void fill_texts(void)
{
    uint32_t x = 1;
    for (int i = 0; i < TEXT_SIZE; i++) {
        x = x * 1664525u + 1013904223u;
        before[i] = (char)('a' + (x >> 24) % 26);
        after[i] = i % 1000 == 7 ? '-' : before[i];
    }
}

DX_TEST(sy_8_an_answer_as_a_patch_of_the_bases)
{
    uint8_t *answer = NULL;
    size_t size = 0;
    dxup_bundle got;
    dxup_bundle_request r = {.transfer = 7, .zstd = true, .patches = true, .want_count = 1,
                             .base_count = 1};
    dxup_bundler *b = dxup_bundler_open();
    fill_texts();
    memset(r.ids[0], 0x77, 32);
    memset(r.ids[1], 0x66, 32);
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    DX_CHECK_EQ(answer[0], CODING_PATCH);
    DX_CHECK(size < 1000);
    DX_CHECK_EQ(dxup_bundle_open(b, NULL, &r, answer, size, &got), PROG_OK);
    DX_CHECK(got.count == 1 && got.based && got.sizes[0] == TEXT_SIZE);
    DX_CHECK_MEM(got.bytes, after, TEXT_SIZE);
    for (size_t at = 0; at < size; at++) { /* no byte may differ */
        answer[at] ^= 1;
        bool same = !dxup_bundle_open(b, NULL, &r, answer, size, &got) && got.count == 1 &&
                    got.sizes[0] == TEXT_SIZE && !memcmp(got.bytes, after, TEXT_SIZE);
        DX_CHECK(!same);
        answer[at] ^= 1;
    }
    r.patches = false; /* a client that did not offer it gets none, and accepts none */
    DX_CHECK_EQ(dxup_bundle_open(b, NULL, &r, answer, size, &got), PROG_DAMAGED);
    free(answer);
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    DX_CHECK_EQ(answer[0], CODING_ZSTD);
    free(answer);
    dxup_bundler_close(b);
}

/* >>arbitrary input ----------------------------------------------------- */
/* Change a few bytes and the end. Returns an exact-size copy, so that a sanitizer detects every
   access beyond it. */
static uint8_t *spoil(dx_choices *c, const uint8_t *bytes, size_t *size, size_t head)
{
    size_t most = *size;
    for (uint64_t n = dx_choose(c, 2); n && *size; n--) *size = (size_t)dx_choose(c, most);
    uint8_t *copy = malloc(*size + !*size);
    memcpy(copy, bytes, *size);
    for (uint64_t n = dx_choose(c, 3); n && *size; n--) {
        size_t at = (size_t)dx_choose(c, (dx_choose(c, 3) && *size > head ? head : *size) - 1);
        copy[at] = (uint8_t)dx_choose(c, 255);
    }
    return copy;
}

DX_PROPERTY(sy_4_requests_of_every_kind, 20000)
{
    uint8_t bytes[DXUP_BUNDLE_REQUEST_MAX], again[DXUP_BUNDLE_REQUEST_MAX];
    dxup_bundle_request r = example(), back;
    r.want_count = 1 + (uint32_t)dx_choose(c, 3);
    r.base_count = (uint32_t)dx_choose(c, 3);
    size_t size = dxup_bundle_write_request(&r, bytes);
    uint8_t *copy = spoil(c, bytes, &size, REQUEST_HEAD);
    if (dxup_bundle_read_request(&back, copy, size)) { /* then it encodes exactly the bytes read */
        DX_CHECK(back.want_count >= 1);
        DX_CHECK(back.want_count + back.base_count <= DXUP_BUNDLE_IDS_MAX);
        DX_CHECK_EQ(dxup_bundle_write_request(&back, again), size);
        DX_CHECK(!memcmp(again, copy, size));
    }
    free(copy);
}

DX_TEST(sy_5_a_request_has_at_most_248_ids)
{
    enum { COUNT = 249 };
    static uint8_t bytes[REQUEST_HEAD + COUNT * PROG_HASH_SIZE];
    dxup_bundle_request r;
    for (uint32_t bases = 0; bases <= COUNT; bases += 83) {
        store_number(bytes + 6, COUNT - bases, 2);
        store_number(bytes + 8, bases, 2);
        DX_CHECK(!dxup_bundle_read_request(&r, bytes, sizeof bytes));
        if (bases == COUNT) break;
        store_number(bytes + 6, COUNT - bases - 1, 2); /* 0 wanted is refused, too */
        DX_CHECK_EQ(dxup_bundle_read_request(&r, bytes, sizeof bytes - PROG_HASH_SIZE),
                    COUNT - bases > 1);
    }
    store_number(bytes + 6, 65535, 2); /* 65535 + 2 is 1 in 16 bits */
    store_number(bytes + 8, 2, 2);
    DX_CHECK(!dxup_bundle_read_request(&r, bytes, REQUEST_HEAD + PROG_HASH_SIZE));
}

DX_PROPERTY(sy_6_answers_of_every_kind, 20000)
{
    uint8_t *answer = NULL;
    size_t size = 0;
    dxup_bundle got;
    dxup_bundle_request r = {.want_count = 1 + (uint32_t)dx_choose(c, 4), .base_count = 1};
    for (uint32_t i = 0; i < r.want_count + r.base_count; i++)
        memset(r.ids[i], 0x11 * (1 + (int)dx_choose(c, 4)), PROG_HASH_SIZE);
    static dxup_bundler *b;
    if (!b) b = dxup_bundler_open(); /* large, and it keeps nothing between calls */
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    DX_CHECK(size <= DXUP_BUNDLE_ANSWER_MAX);
    uint8_t *copy = spoil(c, answer, &size, DXUP_BUNDLE_HEAD + 4 * r.want_count);
    free(answer);
    if (!dxup_bundle_open(b, NULL, &r, copy, size, &got)) {
        uint64_t sum = 0;
        DX_CHECK(got.count >= 1 && got.count <= r.want_count);
        for (uint32_t i = 0; i < got.count; i++)
            if (got.sizes[i] != DXUP_BUNDLE_MISSING) sum += got.sizes[i];
        DX_CHECK(sum + 4 * got.count <= size - DXUP_BUNDLE_HEAD);
    }
    free(copy);
}

DX_TEST(sy_7_an_object_that_is_too_large_is_not_there)
{
    uint8_t *answer = NULL;
    size_t size = 0;
    dxup_bundle got;
    dxup_bundle_request r = {.want_count = 2};
    dxup_bundler *b = dxup_bundler_open();
    memset(r.ids[0], LARGE, PROG_HASH_SIZE);
    memset(r.ids[1], 0x11, PROG_HASH_SIZE);
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    DX_CHECK_EQ(dxup_bundle_open(b, NULL, &r, answer, size, &got), PROG_OK);
    DX_CHECK_EQ(got.count, 1);
    DX_CHECK_EQ(got.sizes[0], DXUP_BUNDLE_MISSING);
    free(answer);
    dxup_bundler_close(b);
}

DX_TEST(sy_9_the_size_of_an_answer)
{
    uint8_t *answer = NULL;
    size_t size = 0, whole = 0;
    uint32_t count = 0;
    dxup_bundle_request r = example();
    dxup_bundler *b = dxup_bundler_open();
    DX_CHECK_EQ(dxup_bundle_make(b, NULL, &r, &answer, &size), PROG_OK);
    const size_t was = size;
    dxup_bundle_reduce(answer, &size);
    expect_vector("size", answer, size);
    DX_CHECK(dxup_bundle_read_size(answer, size, r.want_count, &count, &whole));
    DX_CHECK_EQ(count, 2);
    DX_CHECK_EQ(whole, was);
    DX_CHECK(!dxup_bundle_read_size(answer, size, 1, &count, &whole)); /* more than was asked for */
    DX_CHECK(!dxup_bundle_read_size(answer, size - 1, 2, &count, &whole));
    DX_CHECK(!dxup_bundle_read_size(answer, size + 1, 2, &count, &whole));
    store_number(answer, 0, 4); /* no progress */
    DX_CHECK(!dxup_bundle_read_size(answer, size, 2, &count, &whole));
    store_number(answer, 2, 4);
    store_number(answer + 4, DXUP_BUNDLE_ANSWER_MAX + 1, 4);
    DX_CHECK(!dxup_bundle_read_size(answer, size, 2, &count, &whole));
    store_number(answer + 4, DXUP_BUNDLE_ANSWER_MAX, 4);
    DX_CHECK(dxup_bundle_read_size(answer, size, 2, &count, &whole));
    free(answer);
    dxup_bundler_close(b);
}
