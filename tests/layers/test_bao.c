#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* popen; the header itself needs nothing */
#endif
/* Tests of layers/dx_bao.h: the published vectors of Bao, a second implementation (tests/readers/bao.py), hostile slices.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/layers/test_bao.c -o build/test_bao -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_bao.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)
enum { SIZE_MAX_ = 200000 };

static uint8_t data[SIZE_MAX_], outboard[SIZE_MAX_], slice[SIZE_MAX_ * 2], out[SIZE_MAX_];

static const uint8_t *content(void)
{
    for (uint32_t i = 0; i < sizeof data / 4; i++) dx_cas_p_store32(data + 4 * i, i + 1);
    return data;
}

/* >>vectors ------------------------------------------------------------ */
static char *vectors;

/* The number or text after "key": ; *p moves there. NULL: there is none before `end`. */
static const char *value_of(const char **p, const char *end, const char *key)
{
    char name[64];
    const char *at;
    snprintf(name, sizeof name, "\"%s\": ", key);
    at = strstr(*p, name);
    if (!at || (end && at > end)) return NULL;
    return *p = at + strlen(name);
}

static size_t number_of(const char **p, const char *key)
{
    const char *v = value_of(p, NULL, key);
    DX_CHECK(v != NULL);
    return v ? strtoul(v, NULL, 10) : 0;
}

static bool is_hash(const char **p, const char *key, const void *bytes, size_t size)
{
    dx_cas_id is, want;
    char hex[65];
    const char *v = value_of(p, NULL, key);
    if (!v) return false;
    memcpy(hex, v + 1, 64);
    hex[64] = 0;
    OK(dx_cas_id_from_hex(hex, &want));
    dx_cas_hash(bytes, size, &is);
    return dx_cas_id_equal(&is, &want);
}

/* The range of one list in the file. */
static const char *list_of(const char *key, const char **end)
{
    char name[64];
    const char *at;
    if (!vectors) vectors = (char *)dx_test_file("tests/vectors/bao.json", NULL);
    DX_CHECK(vectors != NULL);
    snprintf(name, sizeof name, "\n    \"%s\": [", key);
    at = strstr(vectors, name);
    DX_CHECK(at != NULL);
    *end = strstr(at, "\n    ]");
    DX_CHECK(*end != NULL);
    return at;
}

static size_t offsets_of(const char **p, const char *key, size_t *offsets, size_t most)
{
    const char *v = value_of(p, NULL, key);
    size_t n = 0;
    while (v && *v != ']' && n < most) {
        if (*v >= '0' && *v <= '9') offsets[n++] = strtoul(v, (char **)(void *)&v, 10);
        else v++;
    }
    return n;
}

DX_TEST(mk_3_bao_vectors_of_hashes_and_outboard_trees)
{
    const char *end, *p = list_of("outboard", &end);
    size_t cases = 0, at[64], count, i;
    uint8_t proof[DX_BAO_PROOF_MAX];
    content();
    while (value_of(&p, end, "input_len")) {
        size_t size = strtoul(p, NULL, 10), want = number_of(&p, "output_len");
        dx_cas_id root;
        DX_CHECK_EQ(dx_bao_outboard_size(size, 0), want);
        OK(dx_bao_outboard(data, size, 0, outboard, want, &root));
        DX_CHECK(is_hash(&p, "bao_hash", data, size));
        dx_cas_id whole;
        dx_cas_hash(data, size, &whole);
        DX_CHECK_MEM(&whole, &root, 32);
        DX_CHECK(is_hash(&p, "encoded_blake3", outboard, want));
        count = offsets_of(&p, "outboard_corruptions", at, 64);
        for (i = 0; i < count; i++) { /* the check of some group detects a flipped byte */
            bool found = false;
            outboard[at[i]] ^= 1;
            for (uint64_t g = 0; g < (size + 1023) / 1024 + (size == 0) && !found; g++) {
                int n = dx_bao_prove(outboard, want, 0, g, proof);
                size_t bytes = size - g * 1024 < 1024 ? size - (size_t)g * 1024 : 1024;
                found = n < 0 || dx_bao_check(&root, dx_cas_p_load64(outboard), 0, g, data + g * 1024, bytes, proof,
                                                  (size_t)n) != DX_CAS_OK;
            }
            DX_CHECK(found);
            outboard[at[i]] ^= 1;
        }
        cases++;
    }
    DX_CHECK_EQ(cases, 13);
}

/* Every flipped byte of a list must be found. */
static void flipped(const dx_cas_id *root, size_t size, const size_t *at, size_t count, uint64_t start, uint64_t length)
{
    size_t got, i;
    for (i = 0; i < count; i++) {
        slice[at[i]] ^= 1;
        int e = dx_bao_open(root, 0, start, length, slice, size, out, sizeof out, &got, NULL);
        DX_CHECK(e == DX_CAS_ECORRUPT || e == DX_CAS_ETRUNCATED);
        DX_CHECK(got == 0 || memcmp(out, data + start, got) == 0);
        slice[at[i]] ^= 1;
    }
}

DX_TEST(mk_3_bao_vectors_of_encodings)
{
    const char *end, *p = list_of("encode", &end);
    size_t cases = 0, at[64], made, got;
    content();
    while (value_of(&p, end, "input_len")) {
        size_t size = strtoul(p, NULL, 10), want = number_of(&p, "output_len");
        uint64_t told = 0;
        dx_cas_id root;
        OK(dx_bao_outboard(data, size, 0, outboard, sizeof outboard, &root));
        OK(dx_bao_slice(data, outboard, sizeof outboard, 0, 0, UINT64_MAX, slice, sizeof slice, &made));
        DX_CHECK_EQ(made, want);
        DX_CHECK(is_hash(&p, "encoded_blake3", slice, made));
        OK(dx_bao_open(&root, 0, 0, UINT64_MAX, slice, made, out, sizeof out, &got, &told));
        DX_CHECK_EQ(got, size);
        DX_CHECK_EQ(told, size);
        DX_CHECK_MEM(out, data, size);
        flipped(&root, made, at, offsets_of(&p, "corruptions", at, 64), 0, UINT64_MAX);
        cases++;
    }
    DX_CHECK_EQ(cases, 13);
}

DX_TEST(mk_3_bao_vectors_of_slices)
{
    const char *end, *p = list_of("slice", &end);
    size_t cases = 0, at[64], made, got;
    content();
    while (value_of(&p, end, "input_len")) {
        size_t size = strtoul(p, NULL, 10);
        const char *next = strstr(p, "\"input_len\""), *last = next && next < end ? next : end;
        dx_cas_id root;
        OK(dx_bao_outboard(data, size, 0, outboard, sizeof outboard, &root));
        while (value_of(&p, last, "start")) {
            size_t start = strtoul(p, NULL, 10), length = number_of(&p, "len"), want = number_of(&p, "output_len");
            size_t bytes = start >= size ? 0 : length < size - start ? length : size - start;
            OK(dx_bao_slice(data, outboard, sizeof outboard, 0, start, length, slice, sizeof slice, &made));
            DX_CHECK_EQ(made, want);
            DX_CHECK(is_hash(&p, "output_blake3", slice, made));
            OK(dx_bao_open(&root, 0, start, length, slice, made, out, sizeof out, &got, NULL));
            DX_CHECK_EQ(got, bytes);
            DX_CHECK_MEM(out, data + start, bytes);
            flipped(&root, made, at, offsets_of(&p, "corruptions", at, 64), start, length);
            cases++;
        }
    }
    DX_CHECK(cases > 100);
}

/* >>reader ------------------------------------------------------------- */
static bool same_hex(char **text, const uint8_t *bytes, size_t size)
{
    char *word = strtok_r(NULL, " \n", text);
    if (!word || strlen(word) != 2 * size) return false;
    for (size_t i = 0; i < size; i++) {
        char two[3] = {word[2 * i], word[2 * i + 1], 0};
        if (strtoul(two, NULL, 16) != bytes[i]) return false;
    }
    return true;
}

DX_TEST(mk_3_a_second_implementation_makes_the_same)
{
    static char line[1 << 20];
    char command[2000] = "printf '";
    static const unsigned sizes[][4] = {
        {0, 4, 0, 1}, {16384, 4, 5, 7}, {16385, 4, 16384, 1}, {65536, 4, 16000, 1000}, {70001, 4, 69999, 100}, {99999, 4, 0, 99999},
        {50000, 4, 50000, 1}, {5000, 0, 1024, 1024}, {40000, 2, 9000, 9000}, {40961, 3, 1, 40000}, {33000, 1, 32999, 1}, {3, 4, 0, 3}};
    size_t cases = sizeof sizes / sizeof sizes[0], made;
    content();
    for (size_t i = 0; i < cases; i++) {
        snprintf(command + strlen(command), sizeof command - strlen(command), "%u %u %u %u\\n", sizes[i][0], sizes[i][1],
                 sizes[i][2], sizes[i][3]);
    }
    strcat(command, "' | python3 tests/readers/bao.py -");
    FILE *f = popen(command, "r");
    DX_CHECK(f != NULL);
    for (size_t i = 0; i < cases; i++) {
        unsigned size = sizes[i][0], group = sizes[i][1];
        size_t outboard_size = (size_t)dx_bao_outboard_size(size, group);
        char *rest = line;
        dx_cas_id root;
        DX_CHECK(fgets(line, sizeof line, f) != NULL);
        OK(dx_bao_outboard(data, size, group, outboard, outboard_size, &root));
        OK(dx_bao_slice(data, outboard, outboard_size, group, sizes[i][2], sizes[i][3], slice, sizeof slice, &made));
        DX_CHECK(same_hex(&rest, root.bytes, 32));
        DX_CHECK(same_hex(&rest, outboard, outboard_size));
        DX_CHECK(same_hex(&rest, slice, made));
    }
    DX_CHECK_EQ(pclose(f), 0);
}

/* >>properties --------------------------------------------------------- */
DX_PROPERTY(mk_3_ranges_of_any_content, 300)
{
    size_t size = (size_t)dx_choose(c, SIZE_MAX_ - 1), made, got;
    unsigned group = (unsigned)dx_choose(c, 5);
    uint64_t start = dx_choose(c, size + 2000), length = dx_choose(c, 40000);
    size_t want = start >= size ? 0 : length < size - start ? (size_t)length : size - (size_t)start;
    dx_cas_id root, whole;
    content();
    OK(dx_bao_outboard(data, size, group, outboard, (size_t)dx_bao_outboard_size(size, group), &root));
    dx_cas_hash(data, size, &whole);
    DX_CHECK_MEM(&root, &whole, 32);
    OK(dx_bao_slice(data, outboard, sizeof outboard, group, start, length, slice, sizeof slice, &made));
    OK(dx_bao_open(&root, group, start, length, slice, made, out, want, &got, NULL));
    DX_CHECK_EQ(got, want);
    DX_CHECK_MEM(out, data + (want ? start : 0), want);
    if (want) DX_CHECK_EQ(dx_bao_open(&root, group, start, length, slice, made, out, want - 1, &got, NULL), DX_CAS_ENOSPACE);
    size_t flip = (size_t)dx_choose_range(c, 8, made > 8 ? made - 1 : 8);
    if (made > 8) { /* any byte but the size is detected at once */
        slice[flip] ^= (uint8_t)(1 << dx_choose(c, 7));
        DX_CHECK_EQ(dx_bao_open(&root, group, start, length, slice, made, out, sizeof out, &got, NULL), DX_CAS_ECORRUPT);
    }
    size_t cut = (size_t)dx_choose(c, made - 1);
    int e = dx_bao_open(&root, group, start, length, slice, cut, out, sizeof out, &got, NULL);
    DX_CHECK(e == DX_CAS_ETRUNCATED || e == DX_CAS_ECORRUPT);
}

DX_PROPERTY(mk_3_one_group_by_its_proof, 300)
{
    size_t size = (size_t)dx_choose(c, SIZE_MAX_ - 1);
    unsigned group = (unsigned)dx_choose(c, 5);
    size_t bytes = (size_t)1024 << group, groups = size ? (size + bytes - 1) / bytes : 1;
    uint64_t index = dx_choose(c, groups - 1);
    uint8_t proof[DX_BAO_PROOF_MAX];
    dx_cas_id root;
    content();
    OK(dx_bao_outboard(data, size, group, outboard, sizeof outboard, &root));
    int n = dx_bao_prove(outboard, sizeof outboard, group, index, proof);
    DX_CHECK(n >= 0);
    uint8_t *p = data + index * bytes;
    size_t here = size - index * bytes < bytes ? size - (size_t)index * bytes : bytes;
    OK(dx_bao_check(&root, size, group, index, p, here, proof, (size_t)n));
    if (here) {
        size_t flip = (size_t)dx_choose(c, here - 1);
        p[flip] ^= 4;
        DX_CHECK_EQ(dx_bao_check(&root, size, group, index, p, here, proof, (size_t)n), DX_CAS_ECORRUPT);
        p[flip] ^= 4;
        DX_CHECK_EQ(dx_bao_check(&root, size, group, index, p, here - 1, proof, (size_t)n), DX_CAS_ECORRUPT);
    }
    if (n) {
        proof[dx_choose(c, (uint64_t)n - 1)] ^= 1;
        DX_CHECK_EQ(dx_bao_check(&root, size, group, index, p, here, proof, (size_t)n), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, size, group, index, p, here, proof, (size_t)n - 32), DX_CAS_ECORRUPT);
    }
    DX_CHECK_EQ(dx_bao_check(&root, size, group, groups, p, here, proof, (size_t)n), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_bao_prove(outboard, sizeof outboard, group, groups, proof), DX_CAS_EINVAL);
}

DX_TEST(mk_3_proofs_and_trees_are_small)
{
    uint64_t giga = (uint64_t)1 << 30;
    dx_bao_p_way way;
    dx_bao_p_find_way(giga / 1024, DX_BAO_GROUP, 12345, &way);
    DX_CHECK(32 * way.depth <= 544);
    DX_CHECK(dx_bao_outboard_size(giga, DX_BAO_GROUP) <= giga / 250);
    dx_bao_p_find_way((uint64_t)1 << 38, 0, 1, &way);
    DX_CHECK(32 * way.depth <= DX_BAO_PROOF_MAX);
}

DX_PROPERTY(mk_3_hostile_slices_and_trees, 2000)
{
    static uint8_t any[4000];
    size_t size = (size_t)dx_choose(c, sizeof any), got, made;
    uint8_t proof[DX_BAO_PROOF_MAX];
    dx_cas_id root;
    dx_choose_bytes(c, any, size < 200 ? size : 200);
    if (size >= 8 && dx_choose(c, 3)) dx_cas_p_store64(any, dx_choose(c, 1) ? dx_choose(c, 100000) : (uint64_t)1 << dx_choose(c, 60));
    memcpy(root.bytes, any, 32);
    (void)dx_bao_open(&root, (unsigned)dx_choose(c, 20), dx_choose(c, 100000), dx_choose(c, 1) ? UINT64_MAX : 100, any, size,
                          out, sizeof out, &got, NULL);
    (void)dx_bao_prove(any, size, (unsigned)dx_choose(c, 20), dx_choose(c, 100), proof);
    if (size >= 8 && dx_cas_p_load64(any) <= sizeof data) {
        (void)dx_bao_slice(data, any, size, 0, dx_choose(c, 5000), 1, out, sizeof out, &made);
    }
}

DX_TEST(mk_3_calls_that_break_the_contract)
{
    dx_bao_builder b;
    dx_cas_id root;
    content();
    DX_CHECK_EQ(dx_bao_begin(&b, 5000, 0, outboard, 8 + 64 * 4 - 1), DX_CAS_ENOSPACE);
    DX_CHECK_EQ(dx_bao_begin(&b, UINT64_MAX, 0, outboard, sizeof outboard), DX_CAS_EINVAL);
    OK(dx_bao_begin(&b, 5000, 0, outboard, sizeof outboard));
    DX_CHECK_EQ(dx_bao_add(&b, data, 1023), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_end(&b, &root), DX_CAS_EINVAL);
    for (size_t i = 0; i < 5; i++) OK(dx_bao_add(&b, data + 1024 * i, i < 4 ? 1024 : 5000 - 4096));
    DX_CHECK_EQ(dx_bao_add(&b, data, 0), DX_CAS_EINVAL);
    OK(dx_bao_end(&b, &root));
}

/* Each limit, in buffers of exactly the stated size: one byte less fails, exactly as many succeed. */
DX_TEST(mk_3_each_limit_has_its_error)
{
    enum { BYTES = 5000, GROUPS = 5 };
    const size_t tree_size = 8 + 64 * (GROUPS - 1);
    uint8_t *tree = (uint8_t *)malloc(tree_size), proof[DX_BAO_PROOF_MAX];
    const uint64_t most = (uint64_t)1 << 48;
    dx_bao_builder b;
    dx_cas_id root;
    size_t made, got;
    uint64_t size;
    content();
    DX_CHECK(tree != NULL);
    DX_CHECK_EQ(dx_bao_outboard_size(0, 0), 8);
    DX_CHECK_EQ(dx_bao_outboard_size(1024, 0), 8);
    DX_CHECK_EQ(dx_bao_outboard_size(1025, 0), 8 + 64);
    DX_CHECK_EQ(dx_bao_outboard_size(16384, 4), 8);
    DX_CHECK_EQ(dx_bao_outboard_size(16385, 4), 8 + 64);
    DX_CHECK_EQ(dx_bao_outboard_size(BYTES, 0), tree_size);

    DX_CHECK_EQ(dx_bao_begin(NULL, BYTES, 0, tree, tree_size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_begin(&b, BYTES, 0, NULL, tree_size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_begin(&b, BYTES, 21, tree, tree_size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_begin(&b, most + 1, 20, tree, tree_size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_begin(&b, most, 20, tree, tree_size), DX_CAS_ENOSPACE);
    OK(dx_bao_begin(&b, BYTES, 20, tree, 8));
    OK(dx_bao_begin(&b, BYTES, 0, tree, tree_size));
    DX_CHECK_EQ(dx_bao_add(NULL, data, 1024), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_add(&b, NULL, 1024), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_add(&b, data, 1025), DX_CAS_EINVAL);
    for (size_t i = 0; i < GROUPS; i++) {
        DX_CHECK_EQ(dx_bao_end(&b, &root), DX_CAS_EINVAL);
        OK(dx_bao_add(&b, data + 1024 * i, i < 4 ? 1024 : BYTES - 4096));
    }
    DX_CHECK_EQ(dx_bao_end(NULL, &root), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_end(&b, NULL), DX_CAS_EINVAL);
    OK(dx_bao_end(&b, &root));
    DX_CHECK_EQ(dx_bao_end(&b, &root), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_add(&b, data, 1024), DX_CAS_EINVAL);
    OK(dx_bao_begin(&b, 0, 0, tree, 8)); /* empty: one group of no bytes */
    DX_CHECK_EQ(dx_bao_end(&b, &root), DX_CAS_EINVAL);
    OK(dx_bao_add(&b, NULL, 0));
    OK(dx_bao_end(&b, &root));
    DX_CHECK_EQ(dx_bao_outboard(NULL, 1, 0, tree, tree_size, &root), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_outboard(data, BYTES, 0, tree, tree_size - 1, &root), DX_CAS_ENOSPACE);
    OK(dx_bao_outboard(data, BYTES, 0, tree, tree_size, &root));

    DX_CHECK_EQ(dx_bao_prove(NULL, tree_size, 0, 0, proof), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 0, 0, NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 21, 0, proof), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 20, 0, proof), 0);
    DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 0, GROUPS, proof), DX_CAS_EINVAL);
    for (size_t n = 0; n < tree_size; n++) {
        DX_CHECK_EQ(dx_bao_prove(tree, n, 0, 0, proof), DX_CAS_ETRUNCATED);
        DX_CHECK_EQ(dx_bao_slice(data, tree, n, 0, 0, 1, slice, sizeof slice, &made), DX_CAS_ETRUNCATED);
        DX_CHECK_EQ(made, 0);
    }
    for (uint64_t i = 0; i < GROUPS; i++) {
        const uint8_t *here = data + 1024 * i;
        size_t n = i < 4 ? 1024 : BYTES - 4096, bytes = i < 4 ? 96 : 32;
        DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 0, i, proof), bytes);
        OK(dx_bao_check(&root, BYTES, 0, i, here, n, proof, bytes));
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i, here, n - 1, proof, bytes), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i, here, n, proof, bytes + 32), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i, here, n, proof, bytes - 1), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i ^ 1, here, n, proof, bytes), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, most + 1, 0, i, here, n, proof, bytes), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 21, i, here, n, proof, bytes), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_bao_check(NULL, BYTES, 0, i, here, n, proof, bytes), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i, NULL, n, proof, bytes), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_bao_check(&root, BYTES, 0, i, here, n, NULL, bytes), DX_CAS_EINVAL);
    }

    DX_CHECK_EQ(dx_bao_slice(data, NULL, tree_size, 0, 0, 1, slice, sizeof slice, &made), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_slice(data, tree, tree_size, 0, 0, 1, NULL, 1, &made), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_slice(data, tree, tree_size, 0, 0, 1, slice, sizeof slice, NULL), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_slice(NULL, tree, tree_size, 0, 0, 1, slice, sizeof slice, &made), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_slice(data, tree, tree_size, 21, 0, 1, slice, sizeof slice, &made), DX_CAS_EINVAL);
    const size_t need = 8 + 3 * 64 + 1024; /* the path to one group, and the group */
    uint8_t *exact = (uint8_t *)malloc(need);
    DX_CHECK(exact != NULL);
    for (size_t n = 0; n < need; n += n < 16 || n + 8 > need ? 1 : 7) {
        DX_CHECK_EQ(dx_bao_slice(data, tree, tree_size, 0, 1024, 1024, n ? exact : NULL, n, &made), DX_CAS_ENOSPACE);
        DX_CHECK_EQ(made, need);
    }
    OK(dx_bao_slice(data, tree, tree_size, 0, 1024, 1024, exact, need, &made));
    DX_CHECK_EQ(made, need);
    for (size_t n = 0; n < need; n++) {
        DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, exact, n, out, sizeof out, &got, NULL), DX_CAS_ETRUNCATED);
        DX_CHECK_EQ(got, 0);
    }
    size = 0;
    OK(dx_bao_open(&root, 0, 1024, 1024, exact, need, out, 1024, &got, &size));
    DX_CHECK_EQ(got, 1024);
    DX_CHECK_EQ(size, BYTES);
    DX_CHECK_MEM(out, data + 1024, 1024);
    memcpy(slice, exact, need);
    slice[need] = 0; /* trailing data */
    DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, slice, need + 1, out, 1024, &got, &size), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_bao_open(NULL, 0, 1024, 1024, exact, need, out, 1024, &got, &size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, NULL, need, out, 1024, &got, &size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, exact, need, NULL, 1024, &got, &size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, exact, need, out, 1024, NULL, &size), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_bao_open(&root, 21, 1024, 1024, exact, need, out, 1024, &got, &size), DX_CAS_EINVAL);
    dx_cas_p_store64(exact, most + 1);
    DX_CHECK_EQ(dx_bao_open(&root, 0, 1024, 1024, exact, need, out, 1024, &got, &size), DX_CAS_ECORRUPT);
    dx_cas_p_store64(tree, most + 1);
    DX_CHECK_EQ(dx_bao_prove(tree, tree_size, 0, 0, proof), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_bao_slice(data, tree, tree_size, 0, 0, 1, slice, sizeof slice, &made), DX_CAS_ECORRUPT);
    free(exact);
    free(tree);
}

/* A slice has exactly the groups that the range touches, at every boundary. */
DX_TEST(mk_3_a_slice_has_what_its_range_touches)
{
    enum { BYTES = 8 * 1024 };
    const size_t tree_size = 8 + 64 * 7;
    dx_cas_id root;
    size_t made, got;
    content();
    OK(dx_bao_outboard(data, BYTES, 0, outboard, tree_size, &root));
    static const uint64_t edges[] = {0, 1, 1023, 1024, 1025, 2047, 2048, 4095, 4096, 8191, 8192, 8193, UINT64_MAX};
    enum { EDGES = sizeof edges / sizeof *edges };
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < EDGES; k++) {
            uint64_t from = edges[i], length = edges[k], first = from < BYTES ? from : BYTES - 1;
            uint64_t to = length > UINT64_MAX - from ? UINT64_MAX : from + length;
            if (to <= first) to = first + 1;
            if (to > BYTES) to = BYTES;
            size_t groups = (size_t)((to - 1) / 1024 - first / 1024 + 1);
            size_t want = from >= BYTES ? 0 : length < BYTES - from ? (size_t)length : (size_t)(BYTES - from);
            OK(dx_bao_slice(data, outboard, tree_size, 0, from, length, slice, sizeof slice, &made));
            DX_CHECK_EQ((made - 8) % 64, 0);
            size_t pairs = (made - 8 - 1024 * groups) / 64;
            DX_CHECK(made >= 8 + 1024 * groups + 3 * 64 && pairs <= 7 && (groups > 1 || pairs == 3) && (groups < 8 || pairs == 7));
            OK(dx_bao_open(&root, 0, from, length, slice, made, out, want, &got, NULL));
            DX_CHECK_EQ(got, want);
            DX_CHECK_MEM(out, data + (want ? from : 0), want);
        }
    }
}
