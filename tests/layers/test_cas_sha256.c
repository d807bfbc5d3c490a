/* Tests of layers/dx_sha256.h: SHA-256 and HMAC against published vectors, and a store whose ids are SHA-256.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/layers/test_cas_sha256.c -o build/test_cas_sha256 -lpthread */
#define DX_IMPLEMENTATION
#include "../../layers/dx_sha256.h"
#define DX_CAS_HASHER dx_sha256
#define DX_CAS_HASHER_NUMBER 2
#include "../../dx_cas.h"
#include "../../layers/dx_merkle.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

static size_t from_hex(const char *p, uint8_t *out)
{
    size_t n = 0;
    unsigned v;
    while (*p > ' ' && sscanf(p, "%2x", &v) == 1) {
        out[n++] = (uint8_t)v;
        p += 2;
    }
    return n;
}

static void check_hex(const dx_sha256 *h, const char *hex)
{
    uint8_t want[32], got[32];
    size_t size = from_hex(hex, want);
    dx_sha256_final(h, got, size);
    DX_CHECK_MEM(got, want, size);
}

/* FIPS 180-2, appendix B (the examples of FIPS 180-4). */
DX_TEST(ca_2_sha256_examples_of_the_standard)
{
    static char a[1000];
    dx_sha256 h;
    dx_sha256_init(&h);
    check_hex(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    dx_sha256_update(&h, "abc", 3);
    check_hex(&h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    dx_sha256_init(&h);
    dx_sha256_update(&h, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
    check_hex(&h, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    dx_sha256_init(&h);
    memset(a, 'a', sizeof a);
    for (int i = 0; i < 1000; i++) dx_sha256_update(&h, a, sizeof a);
    check_hex(&h, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

DX_TEST(ca_2_sha256_vectors_of_nist)
{
    size_t size, n = 0;
    char *text = (char *)dx_test_file("tests/vectors/sha256.rsp", &size), *at;
    DX_CHECK(text != NULL);
    text = (char *)realloc(text, size + 1);
    text[size] = 0;
    for (at = text; (at = strstr(at, "Len = ")) != NULL; n++) {
        size_t bits = strtoul(at + 6, NULL, 10);
        uint8_t message[64];
        dx_sha256 h;
        at = strstr(at, "Msg = ");
        if (bits) DX_CHECK_EQ(from_hex(at + 6, message), bits / 8);
        dx_sha256_init(&h);
        dx_sha256_update(&h, message, bits / 8);
        check_hex(&h, strstr(at, "MD = ") + 5);
    }
    DX_CHECK_EQ(n, 65);
    free(text);
}

/* RFC 4231, section 4. */
DX_TEST(ca_2_hmac_sha256_vectors_of_rfc_4231)
{
    static const struct {
        unsigned key_byte, key_size; /* key_size 0: the string */
        const char *key, *data;
        unsigned data_byte, data_size;
        const char *mac;
    } v[] = {
        {0x0b, 20, "", "Hi There", 0, 0, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {0, 0, "Jefe", "what do ya want for nothing?", 0, 0, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {0xaa, 20, "", "", 0xdd, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {0, 0, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", "", 0xcd, 50,
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {0x0c, 20, "", "Test With Truncation", 0, 0, "a3b6167473100ee06e0c796c2955552b"},
        {0xaa, 131, "", "Test Using Larger Than Block-Size Key - Hash Key First", 0, 0, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {0xaa, 131, "",
         "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being "
         "used by the HMAC algorithm.",
         0, 0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        uint8_t key[200], data[200];
        size_t key_size = v[i].key_size ? v[i].key_size : strlen(v[i].key);
        size_t data_size = v[i].data_size ? v[i].data_size : strlen(v[i].data);
        dx_sha256 h;
        if (v[i].key_size) memset(key, (int)v[i].key_byte, key_size);
        else memcpy(key, v[i].key, key_size);
        if (v[i].data_size) memset(data, (int)v[i].data_byte, data_size);
        else memcpy(data, v[i].data, data_size);
        for (size_t split = 0; split <= data_size; split++) {
            dx_sha256_init_keyed(&h, key, key_size);
            dx_sha256_update(&h, data, split);
            dx_sha256_update(&h, data + split, data_size - split);
            check_hex(&h, v[i].mac);
        }
    }
}

DX_TEST(ca_2_sha256_at_once_is_sha256_in_pieces)
{
    static uint8_t data[300];
    uint8_t once[32], pieces[32];
    dx_sha256 h;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof data; size += 11) {
        dx_sha256_hash(size ? data : NULL, size, once);
        dx_sha256_init(&h);
        dx_sha256_update(&h, data, size);
        dx_sha256_final(&h, pieces, 32);
        DX_CHECK(dx_sha256_equal(once, pieces, 32));
        dx_sha256_hmac(data, size, data, sizeof data - size, once);
        DX_CHECK(!dx_sha256_equal(once, pieces, 32));
        dx_sha256_init_keyed(&h, data, size);
        dx_sha256_update(&h, data, sizeof data - size);
        dx_sha256_final(&h, pieces, 32);
        DX_CHECK(dx_sha256_equal(once, pieces, 32));
    }
    DX_CHECK(dx_sha256_equal(NULL, NULL, 0));
    for (size_t bit = 0; bit < 256; bit++) { /* every single bit matters */
        memcpy(pieces, once, 32);
        pieces[bit / 8] ^= (uint8_t)(1 << bit % 8);
        DX_CHECK(!dx_sha256_equal(once, pieces, 32));
    }
}

/* RFC 2104: a short key, also an empty one, is padded with zeros; a long one is replaced by its hash. */
DX_TEST(ca_2_hmac_sha256_of_keys_of_every_size)
{
    uint8_t key[200], padded[64], mac[32], want[32];
    for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)(i * 11 + 3);
    for (size_t size = 0; size <= sizeof key; size++) {
        memset(padded, 0, sizeof padded);
        if (size > 64) dx_sha256_hash(key, size, padded);
        else memcpy(padded, key, size);
        dx_sha256_hmac(size ? key : NULL, size, "message", 7, mac);
        dx_sha256_hmac(padded, 64, "message", 7, want);
        DX_CHECK_MEM(mac, want, 32);
    }
}

/* The processor's instructions give the same result as the portable code, at every size and split. */
DX_PROPERTY(ca_2_sha256_every_split_and_both_codes, 300)
{
    static uint8_t data[5000];
    uint32_t state[8];
    uint8_t want[32], got[32];
    dx_sha256 h;
    size_t size = (size_t)dx_choose(c, sizeof data), done = 0, at;
    dx_choose_bytes(c, data, size < 200 ? size : 200);
    for (at = 200; at < size; at++) data[at] = (uint8_t)(data[at - 200] * 5 + at);
    dx_sha256_init(&h);
    memcpy(state, h.state_, sizeof state);
    dx_sha256_p_plain(state, data, size / 64);
    while (done < size) {
        size_t n = 1 + (size_t)dx_choose(c, size - done - 1);
        dx_sha256_update(&h, data + done, n);
        done += n;
    }
    DX_CHECK_MEM(state, h.state_, sizeof state);
    dx_sha256_final(&h, got, 32);
    dx_sha256_final(&h, want, 32); /* final changes nothing */
    DX_CHECK_MEM(got, want, 32);
    dx_sha256_init(&h);
    dx_sha256_update(&h, data, size);
    dx_sha256_final(&h, want, 32);
    DX_CHECK_MEM(got, want, 32);
}

/* >>store -------------------------------------------------------------- */
static uint8_t disk[1 << 20], other_disk[1 << 20];
static uint64_t memory[2][(64 << 10) / 8];

static int open_on(dx_cas_store *s, dx_devices_memory *m, uint32_t mode, unsigned which)
{
    dx_cas_desc desc = {0};
    desc.device = dx_devices_memory_device(m);
    desc.mode = mode;
    desc.memory = memory[which];
    desc.memory_size = sizeof memory[which];
    desc.durability = DX_CAS_FULL_ONCE;
    return dx_cas_open(s, &desc);
}

static dx_cas_content fill_store(dx_cas_store *s, dx_cas_id *abc)
{
    static uint8_t work[200 << 10], data[40000];
    dx_cas_writer_desc desc = {0};
    dx_cas_writer w;
    dx_cas_content content;
    dx_cas_ref r;
    OK(dx_cas_put(s, "abc", 3, abc));
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * i >> 7);
    desc.store = s;
    desc.memory = work;
    desc.memory_size = sizeof work;
    desc.chunker.size_avg = 256;
    OK(dx_cas_writer_begin(&w, &desc));
    OK(dx_cas_writer_write(&w, data, sizeof data, NULL));
    OK(dx_cas_writer_finish(&w, &content));
    memset(&r, 0, sizeof r);
    strcpy(r.name, "name");
    r.root = content.root;
    r.content = content.content;
    OK(dx_cas_ref_set(s, &r, 0, NULL));
    OK(dx_cas_commit(s));
    dx_cas_id want;
    dx_cas_hash(data, sizeof data, &want);
    DX_CHECK(dx_cas_id_equal(&want, &content.content));
    return content;
}

DX_TEST(ca_2_a_store_whose_ids_are_sha256)
{
    dx_devices_memory m = {disk, sizeof disk, 0}, to = {other_disk, sizeof other_disk, 0};
    dx_cas_store s, fresh;
    dx_cas_id id;
    dx_cas_content content;
    dx_cas_reader r;
    static uint8_t work[200 << 10], out[40000];
    char hex[65];
    size_t got, size;
    OK(open_on(&s, &m, DX_CAS_WRITE | DX_CAS_CREATE, 0));
    DX_CHECK_EQ(disk[10], 2);
    content = fill_store(&s, &id);
    dx_cas_id_to_hex(&id, hex);
    DX_CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    dx_cas_close(&s);
    OK(open_on(&s, &m, DX_CAS_READ, 0));
    OK(dx_cas_get(&s, &id, out, sizeof out, &got));
    DX_CHECK_MEM(out, "abc", 3);
    OK(dx_cas_reader_open(&r, &s, &content.root, work, sizeof work));
    OK(dx_cas_reader_read(&r, 0, out, sizeof out, &got));
    dx_cas_hash(out, got, &id);
    DX_CHECK(dx_cas_id_equal(&id, &content.content));
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    OK(open_on(&fresh, &to, DX_CAS_WRITE | DX_CAS_CREATE, 1));
    OK(dx_cas_compact_into(&s, &fresh));
    OK(dx_cas_verify(&fresh, NULL, NULL, NULL));
    dx_cas_hash("abc", 3, &id);
    DX_CHECK_EQ(dx_cas_has(&fresh, &id), DX_CAS_ENOTFOUND); /* no name reaches it */
    dx_cas_close(&fresh);
    dx_cas_close(&s);
    size = m.size;
    for (size_t at = 0; at < size; at += 13) { /* one commit in one sync: it is intact, missing, or reported */
        disk[at] ^= 0x10;
        int error = open_on(&s, &m, DX_CAS_READ, 0);
        if (error == DX_CAS_OK && s.tip_.sequence) DX_CHECK_EQ(dx_cas_verify(&s, NULL, NULL, NULL), DX_CAS_ECORRUPT);
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ECORRUPT);
        dx_cas_close(&s);
        disk[at] ^= 0x10;
    }
}

DX_TEST(ca_2_a_store_of_another_hash_is_refused)
{
    dx_devices_memory m = {disk, sizeof disk, 0};
    dx_cas_store s;
    OK(open_on(&s, &m, DX_CAS_WRITE | DX_CAS_CREATE, 0));
    dx_cas_close(&s);
    for (size_t copy = 0; copy < 128; copy += 64) {
        disk[copy + 10] = 1; /* BLAKE3-256 */
        dx_cas_p_store32(disk + copy + 60, dx_cas_p_crc32c(0, disk + copy, 60));
    }
    DX_CHECK_EQ(open_on(&s, &m, DX_CAS_READ, 0), DX_CAS_ENOTSUP);
}

/* A list node's id is not the SHA-256 of any blob: the last step of HMAC, inverted. */
DX_TEST(ca_2_ids_of_nodes_are_apart_from_ids_of_objects)
{
    static const char context[] = "dx_cas v1 list node";
    uint8_t block[96];
    dx_cas_id node, mac, blob;
    dx_sha256 h;
    dx_cas_p_id_of(DX_CAS_EXT_LIST, "node", 4, &node);
    dx_sha256_init_keyed(&h, context, sizeof context - 1);
    dx_sha256_update(&h, "node", 4);
    dx_sha256_final(&h, mac.bytes, 32);
    memset(block, 0x5c, 64);
    for (size_t i = 0; i + 1 < sizeof context; i++) block[i] ^= (uint8_t)context[i];
    dx_sha256_p_end(h.state_, h.block_, h.size_, block + 64);
    dx_cas_hash(block, sizeof block, &blob); /* a blob whose id is the MAC */
    DX_CHECK(dx_cas_id_equal(&blob, &mac));
    for (size_t i = 0; i < 32; i++) DX_CHECK_EQ(node.bytes[i] ^ mac.bytes[i], 0xff);
}

/* With SHA-256, the tree is that of RFC 6962; more of its vectors: tests/checks/rfc6962.sh. */
DX_TEST(mk_2_the_tree_of_rfc_6962)
{
    dx_cas_id root, leaf;
    char hex[65];
    dx_merkle_root_of(NULL, 0, &root);
    dx_cas_id_to_hex(&root, hex);
    DX_CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    dx_merkle_leaf("", 0, &leaf);
    dx_cas_id_to_hex(&leaf, hex);
    DX_CHECK_STR(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}
