/* Tests of layers/dx_token.h: HMAC-SHA-256, base64url, JSON, JWT. Vectors: RFC 4231, RFC 7515, FIPS 180-4. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_token.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

static const uint8_t secret[40] = "a secret of forty bytes, for these tests";

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;
    for (unsigned v; *text && sscanf(text, "%2x", &v) == 1; text += 2) out[n++] = (uint8_t)v;
    return n;
}

static size_t base64url(const void *data, size_t size, char *out)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = (const uint8_t *)data;
    size_t n = 0;
    for (size_t bit = 0; bit < size * 8; bit += 6) {
        unsigned v = (unsigned)p[bit / 8] << 8 | (bit / 8 + 1 < size ? p[bit / 8 + 1] : 0u);
        out[n++] = set[v >> (10 - bit % 8) & 63];
    }
    return n;
}

static char token[300000];

/* Short keys, too: padding them with zeros, up to a block, changes nothing. */
static int init_key(dx_token_key *h, const void *key, size_t size)
{
    uint8_t block[64] = {0};
    if (size >= 32) return dx_token_key_init(h, key, size);
    memcpy(block, key, size);
    return dx_token_key_init(h, block, sizeof block);
}

static size_t sign_with(const void *key, size_t key_size, const char *head, size_t head_size, const char *body, size_t body_size)
{
    dx_token_key h;
    uint8_t mac[32];
    if (init_key(&h, key, key_size)) return 0;
    size_t n = base64url(head, head_size, token);
    token[n++] = '.';
    n += base64url(body, body_size, token + n);
    DX_CHECK_EQ(dx_token_hmac(&h, token, n, mac), 0);
    token[n++] = '.';
    return n + base64url(mac, 32, token + n);
}

static size_t sign(const char *head, const char *body)
{
    return sign_with(secret, sizeof secret, head, strlen(head), body, strlen(body));
}

static char claims_memory[100000];
static dx_token_key the_hmac;
static dx_token_claims got;

static dx_token_rules plain(void)
{
    dx_token_rules j;
    memset(&j, 0, sizeof j);
    DX_CHECK_EQ(dx_token_key_init(&the_hmac, secret, sizeof secret), 0);
    j.hmac = dx_token_hmac;
    j.hmac_user = &the_hmac;
    j.memory = claims_memory;
    j.memory_size = sizeof claims_memory;
    return j;
}

/* In memory of exactly this size, so that a read beyond it is caught. */
static int verify(const dx_token_rules *j, size_t n, uint64_t now)
{
    char *copy = (char *)malloc(n ? n : 1);
    memcpy(copy, token, n);
    int error = dx_token_verify(j, copy, n, now, &got);
    free(copy);
    return error;
}

static int body_error(const char *body)
{
    dx_token_rules j = plain();
    return verify(&j, sign("{\"alg\":\"HS256\"}", body), 1000);
}

static int head_error(const char *head)
{
    dx_token_rules j = plain();
    return verify(&j, sign(head, "{\"exp\":2000}"), 1000);
}

/* >>hmac --------------------------------------------------------------- */
DX_TEST(mw_4_sha_256_of_fips_180_4)
{
    static const struct { const char *text, *hash; } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    uint8_t out[32], want[32];
    for (size_t i = 0; i < 3; i++) {
        dx_sha256_hash(cases[i].text, strlen(cases[i].text), out);
        unhex(cases[i].hash, want);
        DX_CHECK_MEM(out, want, 32);
    }
    uint8_t *million = (uint8_t *)malloc(1000000);
    memset(million, 'a', 1000000);
    dx_sha256_hash(million, 1000000, out);
    unhex("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", want);
    DX_CHECK_MEM(out, want, 32);
    free(million);
}

DX_TEST(mw_4_hmac_sha_256_of_rfc_4231_all_seven)
{
    static const struct { const char *key, *data, *mac; } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"0102030405060708090a0b0c0d0e0f10111213141516171819",
         "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
         "a3b6167473100ee06e0c796c2955552b"}, /* truncated to 128 bits */
        {NULL, "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {NULL, "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b657920616e642061"
               "206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565647320746f20626520686173686564"
               "206265666f7265206265696e6720757365642062792074686520484d414320616c676f726974686d2e",
         "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"}};
    for (size_t i = 0; i < 7; i++) {
        uint8_t key[131], data[200], want[32], mac[32];
        dx_token_key h;
        size_t key_size = 131, data_size = unhex(cases[i].data, data), want_size = unhex(cases[i].mac, want);
        memset(key, 0xaa, sizeof key);
        if (cases[i].key) key_size = unhex(cases[i].key, key);
        DX_CHECK_EQ(init_key(&h, key, key_size), 0);
        DX_CHECK_EQ(dx_token_hmac(&h, data, data_size, mac), 0);
        DX_CHECK_EQ(want_size, i == 4 ? 16 : 32);
        DX_CHECK_MEM(mac, want, want_size);
        DX_CHECK_EQ(dx_token_key_init(&h, key, key_size), key_size < 32 ? DX_TOKEN_EINVAL : 0);
    }
    dx_token_key h;
    DX_CHECK_EQ(dx_token_key_init(NULL, secret, 40), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_key_init(&h, NULL, 40), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_key_init(&h, secret, 0), DX_TOKEN_EINVAL); /* an empty key: CVE-2019-20933 */
    DX_CHECK_EQ(dx_token_key_init(&h, secret, 31), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_hmac(NULL, "", 0, (uint8_t *)claims_memory), DX_TOKEN_EINVAL);
}

/* >>rfc 7515 ----------------------------------------------------------- */
static const char a1[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                         "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char a1_key[] = "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebfd3fb5a92d20647ef968ab4c377623d223d2e2172052e4f08c0cd9af567d080a3";

static dx_token_rules a1_jwt(void)
{
    uint8_t key[64];
    dx_token_rules j = plain();
    DX_CHECK_EQ(unhex(a1_key, key), 64);
    DX_CHECK_EQ(dx_token_key_init(&the_hmac, key, 64), 0);
    memcpy(token, a1, sizeof a1 - 1);
    return j;
}
enum { A1 = sizeof a1 - 1, A1_EXP = 1300819380 };

DX_TEST(mw_4_rfc_7515_a_1_holds)
{
    dx_token_rules j = a1_jwt();
    const char *value;
    size_t size;
    DX_CHECK_EQ(A1, 179);
    DX_CHECK_EQ(verify(&j, A1, A1_EXP - 1), 0);
    DX_CHECK_EQ(got.expires_s, A1_EXP);
    DX_CHECK_EQ(got.not_before_s, 0);
    DX_CHECK_EQ(dx_token_find_claim(&got, "iss", &value, &size), 0);
    DX_CHECK_EQ(size, 5);
    DX_CHECK_MEM(value, "\"joe\"", 5);
    DX_CHECK_EQ(dx_token_find_claim(&got, "http://example.com/is_root", &value, &size), 0);
    DX_CHECK_EQ(size, 4);
    DX_CHECK_MEM(value, "true", 4);
    DX_CHECK_EQ(dx_token_find_claim(&got, "is_root", &value, &size), DX_TOKEN_ENOTFOUND);
    DX_CHECK_EQ(verify(&j, A1, A1_EXP), DX_TOKEN_EEXPIRED);
    j.issuer = "joe";
    DX_CHECK_EQ(verify(&j, A1, 0), 0);
    j.issuer = "jo";
    DX_CHECK_EQ(verify(&j, A1, 0), DX_TOKEN_EISSUER);
    j.issuer = "joey";
    DX_CHECK_EQ(verify(&j, A1, 0), DX_TOKEN_EISSUER);
}

DX_TEST(mw_4_rfc_7515_a_1_with_any_bit_flipped_or_cut_anywhere_fails)
{
    dx_token_rules j = a1_jwt();
    for (size_t i = 0; i < A1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            token[i] ^= (char)(1 << bit);
            int error = verify(&j, A1, 0);
            DX_CHECK(error == DX_TOKEN_ESIGNATURE || error == DX_TOKEN_ECORRUPT);
            token[i] ^= (char)(1 << bit);
        }
        DX_CHECK(verify(&j, i, 0) != 0);
    }
    DX_CHECK_EQ(verify(&j, A1, 0), 0);
    token[A1] = 'A';
    DX_CHECK_EQ(verify(&j, A1 + 1, 0), DX_TOKEN_ECORRUPT);
}

DX_TEST(mw_4_every_bit_of_the_signature_counts)
{
    dx_token_rules j = plain();
    size_t n = sign("{\"alg\":\"HS256\"}", "{\"exp\":2000}");
    uint8_t mac[33];
    DX_CHECK_EQ(dx_token_p_decode(token + n - 43, 43, (char *)mac), 32);
    for (int bit = 0; bit < 256; bit++) {
        mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
        base64url(mac, 32, token + n - 43);
        DX_CHECK_EQ(verify(&j, n, 1000), DX_TOKEN_ESIGNATURE);
        mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    base64url(mac, 32, token + n - 43);
    DX_CHECK_EQ(verify(&j, n, 1000), 0);
    /* Another signature of 0, 31, 33 bytes: CVE-2020-28042 and similar ones. */
    DX_CHECK_EQ(verify(&j, n - 43, 1000), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(verify(&j, n - 1, 1000), DX_TOKEN_ECORRUPT);
    token[n] = 'A';
    DX_CHECK_EQ(verify(&j, n + 1, 1000), DX_TOKEN_ECORRUPT);
}

/* >>header ------------------------------------------------------------- */
DX_TEST(mw_4_w_41_algorithms_are_pinned_and_no_token_is_enough)
{
    static const char *const refused[] = {
        "{\"alg\":\"none\"}", "{\"alg\":\"nOnE\"}", "{\"alg\":\"NONE\"}", "{\"alg\":\"hs256\"}", "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS512\"}", "{\"alg\":\"RS256\"}", "{\"alg\":\"ES256\"}", "{\"alg\":\"HS256 \"}", "{\"alg\":\"HS25\"}",
        "{\"alg\":\"\"}", "{}", "{\"typ\":\"JWT\"}", "{\"alg\":256}", "{\"alg\":null}", "{\"alg\":[\"HS256\"]}",
        "{\"alg\":{\"HS256\":1}}", "{\"ALG\":\"HS256\"}", "{\"alg\":\"HS25\\u0036\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "{\"crit\":[],\"alg\":\"HS256\"}"};
    static const char *const corrupt[] = {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"\\u0061lg\":\"HS256\"}", "{\"alg\":\"HS256\"", "", "[]", "\"HS256\"", "{\"alg\":\"HS256\"}x",
        "{\"alg\":\"HS256\",\"crit\":1,\"crit\":2}", "{\"alg\":\"HS256\",\"kid\":1,\"kid\":2}"};
    static const char *const fine[] = {"{\"alg\":\"HS256\"}", " { \"typ\" : \"JWT\" , \"alg\" : \"HS256\" } ",
        /* keys never come from the token: CVE-2018-0114 */
        "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},\"jku\":\"http://evil\",\"x5u\":\"x\",\"x5c\":[\"x\"]}",
        "{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", "{\"alg\":\"HS256\",\"kid\":\"' OR 1 --\"}"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) DX_CHECK_EQ(head_error(refused[i]), DX_TOKEN_ENOTSUP);
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) DX_CHECK_EQ(head_error(corrupt[i]), DX_TOKEN_ECORRUPT);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) DX_CHECK_EQ(head_error(fine[i]), 0);
    /* RFC 7519 6.1 and RFC 7515 A.5: unsigned. */
    static const char *const none[] = {"eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.", "..", "", "."};
    for (size_t i = 0; i < 4; i++) {
        dx_token_rules j = plain();
        memcpy(token, none[i], strlen(none[i]));
        DX_CHECK_EQ(verify(&j, strlen(none[i]), 1000), DX_TOKEN_ECORRUPT);
    }
    /* Signed with another key, including an RSA public key: only the one secret is valid. */
    dx_token_rules j = plain();
    size_t n = sign_with("-----BEGIN PUBLIC KEY-----", 26, "{\"alg\":\"HS256\"}", 15, "{\"exp\":2000}", 12);
    DX_CHECK_EQ(verify(&j, n, 1000), DX_TOKEN_ESIGNATURE);
}

DX_TEST(mw_4_key_ids)
{
    dx_token_rules j = plain();
    j.key_id = "key-2";
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\",\"kid\":\"key-2\"}", "{\"exp\":2000}"), 1000), 0);
    static const char *const others[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"kid\":\"key-1\"}", "{\"alg\":\"HS256\",\"kid\":2}",
                                         "{\"alg\":\"HS256\",\"kid\":\"key-2 \"}", "{\"alg\":\"HS256\",\"kid\":\"../key-2\"}"};
    for (size_t i = 0; i < 5; i++) DX_CHECK_EQ(verify(&j, sign(others[i], "{\"exp\":2000}"), 1000), DX_TOKEN_ENOTFOUND);
    static char long_head[70000];
    int n = snprintf(long_head, sizeof long_head, "{\"alg\":\"HS256\",\"kid\":\"%065536d\"}", 0);
    DX_CHECK(n > 65536);
    DX_CHECK_EQ(verify(&j, sign(long_head, "{\"exp\":2000}"), 1000), DX_TOKEN_ENOTFOUND);
    j.memory_size = 60000;
    DX_CHECK_EQ(verify(&j, sign(long_head, "{\"exp\":2000}"), 1000), DX_TOKEN_ETOOBIG);
}

/* >>claims ------------------------------------------------------------- */
DX_TEST(mw_4_dates_at_their_edges)
{
    dx_token_rules j = plain();
    for (uint32_t leeway = 0; leeway < 61; leeway += 30) {
        j.leeway_s = leeway;
        size_t n = sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"nbf\":1000,\"iat\":900}");
        DX_CHECK_EQ(verify(&j, n, 1999 + leeway), 0);
        DX_CHECK_EQ(verify(&j, n, 2000 + leeway), DX_TOKEN_EEXPIRED);
        DX_CHECK_EQ(verify(&j, n, 1000 - leeway), 0);
        DX_CHECK_EQ(verify(&j, n, 999 - leeway), DX_TOKEN_EEARLY);
        DX_CHECK_EQ(verify(&j, n, UINT64_MAX), DX_TOKEN_EEXPIRED);
    }
    DX_CHECK_EQ(got.expires_s, 2000);
    DX_CHECK_EQ(got.not_before_s, 1000);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{}"), 1000), DX_TOKEN_EEXPIRED); /* no end */
    j.allow_endless = true;
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{}"), UINT64_MAX - 1), 0);
    DX_CHECK_EQ(body_error("{\"exp\":1}"), DX_TOKEN_EEXPIRED);
    DX_CHECK_EQ(body_error("{\"exp\":9007199254740992}"), 0); /* 2^53 */
    /* A fraction: the end is cut off, the beginning is rounded up. */
    size_t parts = sign("{\"alg\":\"HS256\"}", "{\"exp\":2000.999,\"nbf\":1000.001,\"iat\":900.5}");
    DX_CHECK_EQ(verify(&j, parts, 1000 - j.leeway_s), DX_TOKEN_EEARLY);
    DX_CHECK_EQ(verify(&j, parts, 1999), 0);
    DX_CHECK_EQ(got.expires_s, 2000);
    DX_CHECK_EQ(got.not_before_s, 1001);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000.000,\"nbf\":1000.0}"), 1999), 0);
    DX_CHECK_EQ(got.not_before_s, 1000);
    static const char *const bad[] = {"\"2000\"", "-1", "-0.5", "2000.5e1", "9007199254740993.5", "2e3", "1e300", "9007199254740993", "99999999999999999999",
                                      "null", "true", "[2000]", "{}", "-0"};
    static const char *const names[] = {"exp", "nbf", "iat"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t k = 0; k < 3; k++) {
            char body[100];
            snprintf(body, sizeof body, "{\"%s\":%s%s}", names[k], bad[i], k ? ",\"exp\":2000" : "");
            DX_CHECK_EQ(body_error(body), DX_TOKEN_ECORRUPT);
        }
    }
}

DX_TEST(mw_4_duplicates_escapes_and_nesting)
{
    static const char *const corrupt[] = {
        "{\"exp\":2000,\"exp\":3000}", "{\"exp\":2000,\"exp\":2000}", "{\"exp\":2000,\"nbf\":1,\"nbf\":1}", "{\"exp\":2000,\"aud\":1,\"aud\":2}",
        "{\"exp\":2000,\"iss\":1,\"iss\":2}", "{\"exp\":1,\"\\u0065xp\":2000}", "{\"\\u0065xp\":2000}", "{\"exp\":2000,}", "{,\"exp\":2000}",
        "{\"exp\" 2000}", "{\"exp\":2000 \"a\":1}", "{\"exp\":2000}}", "{\"exp\":2000", "{\"exp\":2000,\"a\":[1,]}", "{\"exp\":2000,\"a\":[,1]}",
        "{\"exp\":2000,\"a\":[1 2]}", "{\"exp\":2000,\"a\":[}", "{\"exp\":2000,\"a\":{]}", "{\"exp\":2000,\"a\":01}", "{\"exp\":2000,\"a\":1.}",
        "{\"exp\":2000,\"a\":.5}", "{\"exp\":2000,\"a\":1e}", "{\"exp\":2000,\"a\":-}", "{\"exp\":2000,\"a\":tru}", "{\"exp\":2000,\"a\":truex}",
        "{\"exp\":2000,\"a\":\"\\x\"}", "{\"exp\":2000,\"a\":\"\\u12g4\"}", "{\"exp\":2000,\"a\":\"\n\"}", "{\"exp\":2000,\"a\":\"", "{\"exp\":2000,\"a\":\"\\",
        "{\"exp\":2000,\"a\":'b'}", "{\"exp\":2000,a:1}", "{\"exp\":2000,\"a\":NaN}", "[{\"exp\":2000}]", "2000", "", " ", "{\"exp\":2000,\"a\":{\"b\"}}",
        "{\"exp\":2000,\"a\":{\"b\":1,}}", "{\"exp\":2000,\"a\":+1}", "\xef\xbb\xbf{\"exp\":2000}"};
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) DX_CHECK_EQ(body_error(corrupt[i]), DX_TOKEN_ECORRUPT);
    static const char *const fine[] = {
        "{\"exp\":2000,\"a\":{\"exp\":1,\"exp\":\"x\"}}", " {\t\"exp\"\r:\n2000 } ", "{\"exp\":2000,\"a\":[[],{},[1,-0.5e+3,\"\\\\\\\"\\u00e9\"],null,true,false]}",
        "{\"exp\":2000,\"a\":{\"\\u0065xp\":1}}", "{\"exp\":2000,\"a\":1,\"a\":2}", "{\"exp\":2000,\"\":0}", "{\"exp\":2000,\"a\":0}", "{\"exp\":2000,\"a\":\"\xc3\xa9\"}"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) DX_CHECK_EQ(body_error(fine[i]), 0);
    for (int depth = 1; depth < 80; depth++) { /* 31 levels, including the claims themselves */
        char body[700] = "{\"exp\":2000,\"a\":";
        for (int k = 0; k < depth; k++) strcat(body, k & 1 ? "{\"b\":" : "[");
        strcat(body, "0");
        for (int k = depth; k-- > 0;) strcat(body, k & 1 ? "}" : "]");
        strcat(body, "}");
        DX_CHECK_EQ(body_error(body), depth <= 30 ? 0 : DX_TOKEN_ECORRUPT);
    }
    /* Names with escapes could hide a duplicate of one that is asked for. */
    static const char escaped[] = "{\"\\u0061\":1,\"b\":2}";
    static const char *const asked[] = {"b"};
    dx_token_json_text member;
    DX_CHECK_EQ(dx_token_json_find_members(escaped, sizeof escaped - 1, NULL, 0, NULL), DX_TOKEN_OK);
    DX_CHECK_EQ(dx_token_json_find_members(escaped, sizeof escaped - 1, asked, 1, &member), DX_TOKEN_ECORRUPT);
    dx_token_rules j = plain();
    static const char nul[] = "{\"exp\":2000,\"a\":\"\0\"}", nul_end[] = "{\"exp\":2000}\0";
    DX_CHECK_EQ(verify(&j, sign_with(secret, 40, "{\"alg\":\"HS256\"}", 15, nul, sizeof nul - 1), 1000), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(verify(&j, sign_with(secret, 40, "{\"alg\":\"HS256\"}", 15, nul_end, sizeof nul_end - 1), 1000), DX_TOKEN_ECORRUPT);
    const char *value;
    size_t size;
    DX_CHECK_EQ(body_error("{\"exp\":2000,\"a\":1,\"a\":2,\"b\":[1, 2]}"), 0);
    DX_CHECK_EQ(dx_token_find_claim(&got, "a", &value, &size), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(dx_token_find_claim(&got, "b", &value, &size), 0);
    DX_CHECK_EQ(size, 6);
    DX_CHECK_EQ(dx_token_find_claim(&got, "b", NULL, &size), DX_TOKEN_EINVAL);
}

DX_TEST(mw_4_issuers_and_audiences)
{
    static const struct { const char *aud; int error; } cases[] = {
        {"\"api\"", 0}, {"[\"api\"]", 0}, {"[\"web\",\"api\"]", 0}, {" [ \"web\" , \"api\" ] ", 0}, {"[\"api\",5]", 0}, {"[5,{\"a\":[1]},\"api\"]", 0},
        {"\"ap\"", -45}, {"\"apis\"", -45}, {"[\"web\"]", -45}, {"[]", -45}, {"5", -45}, {"null", -45}, {"{\"api\":\"api\"}", -45}, {"\"API\"", -45},
        {"[[\"api\"]]", -45}, {"\"a\\u0070i\"", -45}, {"\"\"", -45}, {"[\"\"]", -45}};
    dx_token_rules j = plain();
    j.audience = "api";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"exp\":2000,\"aud\":%s}", cases[i].aud);
        DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", body), 1000), cases[i].error);
    }
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000}"), 1000), DX_TOKEN_EAUDIENCE);
    j = plain();
    j.issuer = "https://a.example/x";
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":\"https://a.example/x\"}"), 1000), 0);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":\"https:\\/\\/a.example\\/x\"}"), 1000), 0);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":[\"https://a.example/x\"]}"), 1000), DX_TOKEN_EISSUER);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":\"https://a.example/x/\"}"), 1000), DX_TOKEN_EISSUER);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000}"), 1000), DX_TOKEN_EISSUER);
    j.audience = "api"; /* each is told from the other */
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":\"https://a.example/x\",\"aud\":\"web\"}"), 1000), DX_TOKEN_EAUDIENCE);
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", "{\"exp\":2000,\"iss\":\"https://b.example\",\"aud\":\"api\"}"), 1000), DX_TOKEN_EISSUER);
}

/* >>encoding ----------------------------------------------------------- */
DX_TEST(mw_4_base64url_has_one_form)
{
    char out[8];
    for (unsigned v = 0; v < 65536; v++) { /* every pair of bytes, each remainder */
        uint8_t raw[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        char text[8];
        DX_CHECK_EQ(base64url(raw, 2, text), 3);
        DX_CHECK_EQ(dx_token_p_decode(text, 3, out), 2);
        DX_CHECK_MEM(out, raw, 2);
    }
    static const char *const bad[] = {"A", "AAAAA", "AB", "AAB", "AAC", "AAD", "AA==", "AAA=", "A+AA", "A/AA", "A AA", "AA\nA", "AAA\x80", "AA.A", "A\0AA"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DX_CHECK_EQ(dx_token_p_decode(bad[i], i == 14 ? 4 : strlen(bad[i]), out), SIZE_MAX);
    for (unsigned ch = 0; ch < 256; ch++) { /* exactly 64 characters are valid */
        char text[4] = {'A', 'A', 'A', (char)ch};
        bool known = (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_';
        DX_CHECK_EQ(dx_token_p_decode(text, 4, out) != SIZE_MAX, known);
    }
}

DX_TEST(mw_4_parts_with_padding_or_dots_are_refused)
{
    dx_token_rules j = plain();
    dx_token_key h;
    static const char *const texts[] = {
        "eyJhbGciOiJIUzI1NiJ9=.eyJleHAiOjIwMDB9", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjIwMDB9==", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjIwMDB9 ",
        "eyJhbGciOiJIUzI1NiJ9.eyJle.HAiOjIwMDB9", "eyJhbGciOiJIUzI1NiJ9", ".eyJleHAiOjIwMDB9", "eyJhbGciOiJIUzI1NiJ9.", " eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjIwMDB9"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) { /* each with its own valid signature */
        uint8_t mac[32];
        size_t n = strlen(texts[i]);
        DX_CHECK_EQ(dx_token_key_init(&h, secret, sizeof secret), 0);
        memcpy(token, texts[i], n);
        dx_token_hmac(&h, token, n, mac);
        token[n++] = '.';
        n += base64url(mac, 32, token + n);
        DX_CHECK_EQ(verify(&j, n, 1000), DX_TOKEN_ECORRUPT);
    }
}

static int failing_hmac(void *user, const void *message, size_t size, uint8_t mac[32])
{
    (void)user; (void)message; (void)size;
    memset(mac, 0, 32);
    return -1;
}

DX_TEST(mw_4_arguments_limits_and_a_failing_hook)
{
    dx_token_rules j = plain();
    size_t n = sign("{\"alg\":\"HS256\"}", "{\"exp\":2000}");
    DX_CHECK_EQ(dx_token_verify(NULL, token, n, 0, &got), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_verify(&j, NULL, n, 0, &got), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_verify(&j, token, n, 0, NULL), DX_TOKEN_EINVAL);
    j.hmac = failing_hmac;
    DX_CHECK_EQ(verify(&j, n, 1000), DX_TOKEN_ESYS);
    j.hmac = NULL;
    DX_CHECK_EQ(verify(&j, n, 1000), DX_TOKEN_EINVAL);
    for (size_t room = 0; room < 100; room++) { /* never a byte beyond the memory */
        char *memory = (char *)malloc(room ? room : 1);
        j = plain();
        j.memory = memory;
        j.memory_size = room;
        int error = verify(&j, n, 1000);
        DX_CHECK(error == 0 || error == DX_TOKEN_ETOOBIG);
        DX_CHECK_EQ(error == 0, room >= n / 4 && room >= 17);
        free(memory);
    }
    static char big[150000];
    memset(big, ' ', sizeof big - 1);
    memcpy(big, "{\"exp\":2000", 11);
    big[sizeof big - 2] = '}';
    j = plain();
    DX_CHECK_EQ(verify(&j, sign("{\"alg\":\"HS256\"}", big), 1000), DX_TOKEN_ETOOBIG);
}

DX_PROPERTY(mw_4_any_signed_bytes_are_read_safely, 1500)
{
    char head[40], body[80];
    static const char *const pieces[] = {"{", "}", "\"exp\"", ":", "2000", ",", "[", "]", "\"aud\"", "\"api\"", "\\", "\"", "1e5", "true", " "};
    size_t h = 0, b = 0;
    dx_token_rules j = plain();
    j.audience = dx_choose(c, 1) ? "api" : NULL;
    j.allow_endless = dx_choose(c, 1) != 0;
    if (dx_choose(c, 2)) h = (size_t)snprintf(head, sizeof head, "{\"alg\":\"HS256\"}");
    else dx_choose_bytes(c, head, h = (size_t)dx_choose(c, sizeof head));
    for (uint64_t n = dx_choose(c, 12); n; n--) {
        const char *piece = pieces[dx_choose(c, 14)];
        if (b + strlen(piece) < sizeof body) memcpy(body + b, piece, strlen(piece)), b += strlen(piece);
    }
    size_t n = sign_with(secret, sizeof secret, head, h, body, b);
    j.memory_size = (n * 3) / 4;
    j.memory = (char *)malloc(j.memory_size);
    int error = verify(&j, n, 1000);
    const char *value;
    size_t size;
    if (!error) {
        DX_CHECK(got.expires_s > 1000);
        if (!dx_token_find_claim(&got, "exp", &value, &size)) DX_CHECK(value >= got.json && value + size <= got.json + got.size);
    }
    free(j.memory);
}

DX_PROPERTY(mw_4_any_token_is_read_safely, 1500)
{
    dx_token_rules j = plain();
    size_t n = (size_t)dx_choose(c, 150);
    dx_choose_bytes(c, token, n);
    for (size_t i = 0; i < n; i++)
        if (dx_choose(c, 3)) token[i] = "eyJhbGc.iOI_1-"[dx_choose(c, 13)];
    DX_CHECK(verify(&j, n, 0) != 0);
}

/* Each of the 192 bytes outside base64url, at each place of a group of four and of the remainder after it. */
DX_TEST(mw_4_every_byte_outside_of_base64url_is_refused)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char out[16];
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool good = byte && strchr(set, (int)byte);
        for (size_t size = 4; size < 8; size++) {
            for (size_t at = 0; at < size && size != 5; at++) {
                char in[8];
                memset(in, 'A', sizeof in);
                in[at] = (char)byte;
                const bool rest = size > 4 && at == size - 1; /* unused bits must be 0 */
                const size_t got = dx_token_p_decode(in, size, out);
                if (!good) DX_CHECK_EQ(got, SIZE_MAX);
                else if (!rest) DX_CHECK_EQ(got, size * 3 / 4);
            }
        }
    }
}

DX_TEST(token_errors_have_names_and_statuses)
{
    DX_CHECK_STR(dx_token_error_name(DX_TOKEN_OK), "DX_TOKEN_OK");
    for (int i = DX_TOKEN_EISSUER; i <= DX_TOKEN_ESIGNATURE; i++) {
        DX_CHECK(strncmp(dx_token_error_name(i), "DX_TOKEN_E", 10) == 0);
        DX_CHECK_EQ(dx_token_status_of_error(i), 401);
    }
    DX_CHECK_EQ(dx_token_status_of_error(DX_TOKEN_ETOOBIG), 413);
    DX_CHECK_EQ(dx_token_status_of_error(-1000), 500);
    DX_CHECK_STR(dx_token_error_name(-1000), "unknown error");
    DX_CHECK_STR(dx_token_error_name(DX_TOKEN_OK), "DX_TOKEN_OK");
    DX_CHECK_STR(dx_token_error_name(DX_TOKEN_ECORRUPT), "DX_TOKEN_ECORRUPT");
    DX_CHECK_STR(dx_token_error_name(DX_TOKEN_JSON_LEVELS_MAX), "unknown error");
}

DX_TEST(json_arguments_and_integers)
{
    static const char *const names[] = {"a", "b", "c"};
    static const char *const other[] = {"ab", ""};
    static const char text[] = "{\"a\":9007199254740992,\"b\":9007199254740993,\"c\":-1}";
    dx_token_json_text found[3], none = {NULL, NULL};
    uint64_t n = 7;
    DX_CHECK_EQ(dx_token_json_find_members(NULL, 1, names, 3, found), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_json_find_members(text, sizeof text - 1, NULL, 3, found), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_json_find_members(text, sizeof text - 1, names, 3, NULL), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_json_find_members(text, sizeof text - 1, NULL, 0, NULL), 0);
    DX_CHECK_EQ(dx_token_json_find_members("", 0, NULL, 0, NULL), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(dx_token_json_find_members(text, sizeof text - 1, other, 2, found), 0);
    DX_CHECK(!found[0].begin && !found[1].begin);
    DX_CHECK_EQ(dx_token_json_find_members(text, sizeof text - 1, names, 3, found), 0);
    DX_CHECK_EQ(dx_token_json_read_integer(&found[1], &n), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(dx_token_json_read_integer(&found[2], &n), DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(dx_token_json_read_integer(&none, &n), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_json_read_integer(NULL, &n), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(dx_token_json_read_integer(&found[0], NULL), DX_TOKEN_EINVAL);
    DX_CHECK_EQ(n, 7);
    DX_CHECK_EQ(dx_token_json_read_integer(&found[0], &n), 0);
    DX_CHECK(n == 9007199254740992u);
    DX_CHECK(!dx_token_json_equals(&none, "") && !dx_token_json_contains(&none, ""));
}

/* >>a model of JSON ----------------------------------------------------

   RFC 8259 by recursion, following its grammar. Each function takes the start of an element and returns its end; NULL: invalid. */
static const char *model_end; /* of the text */

static const char *model_space(const char *p)
{
    while (p < model_end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

static bool model_is(const char *p, const char *set) { return p < model_end && *p && strchr(set, *p); }

static const char *model_string(const char *p)
{
    if (!model_is(p, "\"")) return NULL;
    for (p++; p < model_end && *p != '"'; p++) {
        if ((unsigned char)*p < ' ') return NULL;
        if (*p != '\\') continue;
        p++;
        if (!model_is(p, "\"\\/bfnrtu")) return NULL;
        if (*p != 'u') continue;
        for (int i = 0; i < 4; i++)
            if (!model_is(++p, "0123456789abcdefABCDEF")) return NULL;
    }
    return p < model_end ? p + 1 : NULL;
}

static const char *model_digits(const char *p)
{
    if (!model_is(p, "0123456789")) return NULL;
    while (model_is(p, "0123456789")) p++;
    return p;
}

static const char *model_number(const char *p)
{
    if (model_is(p, "-")) p++;
    p = model_is(p, "0") ? p + 1 : model_digits(p);
    if (p && model_is(p, ".")) p = model_digits(p + 1);
    if (p && model_is(p, "eE")) p = model_digits(model_is(p + 1, "+-") ? p + 2 : p + 1);
    return p;
}

/* `names`: the names to look up in the outermost object, and the results. */
typedef struct model_names {
    const char *const *names;
    dx_token_json_text found[3];
} model_names;

static const char *model_value(const char *p, int depth, model_names *names)
{
    static const char *const words[] = {"true", "false", "null"};
    if (model_is(p, "\"")) return model_string(p);
    for (int i = 0; i < 3; i++) {
        const size_t n = strlen(words[i]);
        if ((size_t)(model_end - p) >= n && memcmp(p, words[i], n) == 0) return p + n;
    }
    if (!model_is(p, "{[")) return model_number(p);
    if (depth == DX_TOKEN_JSON_LEVELS_MAX) return NULL;
    const bool object = *p == '{';
    const char *const close = object ? "}" : "]";
    p = model_space(p + 1);
    if (model_is(p, close)) return p + 1;
    for (;; p = model_space(p + 1)) {
        const char *const name = p + 1;
        size_t name_size = 0;
        if (object) {
            if (!(p = model_string(p))) return NULL;
            name_size = (size_t)(p - 1 - name);
            if (names && memchr(name, '\\', name_size)) return NULL;
            p = model_space(p);
            if (!model_is(p, ":")) return NULL;
            p = model_space(p + 1);
        }
        const char *const begin = p;
        if (!(p = model_value(p, depth + 1, NULL))) return NULL;
        for (int i = 0; names && i < 3; i++) {
            if (strlen(names->names[i]) != name_size || memcmp(names->names[i], name, name_size)) continue;
            if (names->found[i].begin) return NULL;
            names->found[i].begin = begin;
            names->found[i].end = p;
        }
        p = model_space(p);
        if (model_is(p, close)) return p + 1;
        if (!model_is(p, ",")) return NULL;
    }
}

static size_t put(char *out, size_t n, const char *text)
{
    memcpy(out + n, text, strlen(text));
    return n + strlen(text);
}

/* Some JSON, mostly valid. */
static size_t make_json(dx_choices *c, char *out, size_t n, int depth)
{
    static const char *const strings[] = {"\"a\"", "\"b\"", "\"\"", "\"ab\"", "\"\\\\\"", "\"\\u0061\"",
                                          "\"c\\/d\"", "\"\xc3\xa9\""};
    static const char *const scalars[] = {"true", "false", "null", "0", "-0", "10", "1.50", "-1e5", "2E+07", "3.25e-1",
                                          "01", "1.", ".1", "+1", "1e", "--1", "nul", "truer", "1e+", "-"};
    static const char *const gaps[] = {"", "", "", " ", "\t", "\n\r "};
    const uint64_t kind = depth && (n > 300 || dx_choose(c, 2) == 0) ? dx_choose(c, 1) : depth ? 2 + dx_choose(c, 1) : 3;
    n = put(out, n, gaps[dx_choose(c, 5)]);
    if (kind == 0) n = put(out, n, strings[dx_choose(c, 7)]);
    if (kind == 1) n = put(out, n, scalars[dx_choose(c, 9) ? dx_choose(c, 9) : dx_choose(c, 19)]);
    if (kind >= 2) {
        uint64_t members = dx_choose(c, 3);
        out[n++] = kind == 2 ? '[' : '{';
        while (members--) {
            if (kind == 3) {
                n = put(out, n, gaps[dx_choose(c, 5)]);
                n = put(out, n, strings[dx_choose(c, 7)]);
                n = put(out, n, gaps[dx_choose(c, 5)]);
                out[n++] = ':';
            }
            n = make_json(c, out, n, depth + 1);
            if (members) out[n++] = ',';
        }
        out[n++] = kind == 2 ? ']' : '}';
    }
    return put(out, n, gaps[dx_choose(c, 5)]);
}

DX_PROPERTY(json_is_read_as_its_grammar_says, 6000)
{
    static const char *const names[] = {"a", "b", ""};
    static char text[8192];
    dx_token_json_text found[3];
    model_names model;
    size_t n = make_json(c, text, 0, 0);
    if (dx_choose(c, 1)) { /* one character is replaced, added or removed */
        const size_t at = (size_t)dx_choose(c, n - 1);
        const uint64_t how = dx_choose(c, 2);
        if (how == 0) memmove(text + at, text + at + 1, --n - at);
        if (how == 1) memmove(text + at + 1, text + at, n++ - at);
        if (how) text[at] = "{}[]\",:\\ 0123456789.eE+-utrfnlabc/g\x7f\x1f\0"[dx_choose(c, 38)];
    }
    char *const copy = (char *)malloc(n ? n : 1);
    memcpy(copy, text, n);
    memset(&model, 0, sizeof model);
    model.names = names;
    model_end = copy + n;
    const char *p = model_space(copy);
    p = model_is(p, "{") ? model_value(p, 0, &model) : NULL;
    const bool good = p && model_space(p) == model_end;
    DX_CHECK_EQ(dx_token_json_find_members(copy, n, names, 3, found), good ? DX_TOKEN_OK : DX_TOKEN_ECORRUPT);
    for (int i = 0; good && i < 3; i++) {
        DX_CHECK(found[i].begin == model.found[i].begin);
        DX_CHECK(found[i].end == model.found[i].end);
    }
    free(copy);
}

/* Does the string equal this text after unescaping? One with an escape other than that of "/" equals no text. */
static bool model_equals(const char *p, const char *end, const char *text)
{
    if (end - p < 2 || *p != '"') return false;
    for (p++, end--; p < end; p++, text++) {
        if (*p == '\\' && *++p != '/') return false;
        if (!*text || *p != *text) return false;
    }
    return !*text;
}

static bool model_contains(const char *p, const char *end, const char *text)
{
    if (*p != '[') return model_equals(p, end, text);
    p = model_space(p + 1);
    while (*p != ']') {
        const char *const behind = model_value(p, 0, NULL);
        if (model_equals(p, behind, text)) return true;
        p = model_space(behind);
        if (*p == ',') p = model_space(p + 1);
    }
    return false;
}

DX_PROPERTY(json_values_are_compared_as_what_they_mean, 4000)
{
    static const char *const names[] = {"a"};
    static const char *const texts[] = {"a", "b", "", "ab", "c/d", "\\", "\\\\", "\\u0061", "c\\/d",
                                        "c", "\"", "n\\", "\\n", "0", "true"};
    static const char pieces[] = "\\\\\\n//a\"";
    static char text[8192];
    char own[8] = {0};
    dx_token_json_text found;
    const char *asked = texts[dx_choose(c, 14)];
    size_t n = put(text, 0, "{\"a\":");
    if (dx_choose(c, 2)) {
        n = make_json(c, text, n, 1);
    } else { /* a string of escapes, and a similar text */
        const size_t begin = n + 1, size = (size_t)dx_choose(c, 6);
        text[n++] = '"';
        for (size_t i = 0; i < size; i++) text[n++] = pieces[dx_choose(c, 7)];
        memcpy(own, text + begin, n - begin);
        for (uint64_t drop = dx_choose(c, 2); own[0] && drop; drop--) {
            char *const at = own + dx_choose(c, strlen(own) - 1);
            memmove(at, at + 1, strlen(at));
        }
        asked = own;
        text[n++] = '"';
    }
    text[n++] = '}';
    model_end = text + n;
    if (dx_token_json_find_members(text, n, names, 1, &found)) return; /* the other model checks that */
    DX_CHECK_EQ(dx_token_json_equals(&found, asked), model_equals(found.begin, found.end, asked));
    DX_CHECK_EQ(dx_token_json_contains(&found, asked), model_contains(found.begin, found.end, asked));
}

DX_PROPERTY(json_integers_are_digits_up_to_2_to_the_53rd, 3000)
{
    const uint64_t number_max = UINT64_C(1) << 53;
    char text[48];
    uint64_t got = 5, value = dx_choose(c, 1) ? number_max - 2 + dx_choose(c, 4) : dx_choose(c, dx_choose(c, 1) ? 12 : UINT64_MAX);
    bool good = value <= number_max;
    size_t n = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (dx_choose(c, 3) == 0) {
        const size_t at = (size_t)dx_choose(c, n - 1);
        const char other = "-+.e/:\"x "[dx_choose(c, 8)];
        text[at] = other;
        good = false;
    } else if (dx_choose(c, 3) == 0) { /* far too many digits */
        memcpy(text + n, "00000000000000000000", 20);
        n += 20;
        good = value == 0;
    }
    const dx_token_json_text number = {text, text + n};
    DX_CHECK_EQ(dx_token_json_read_integer(&number, &got), good ? DX_TOKEN_OK : DX_TOKEN_ECORRUPT);
    DX_CHECK_EQ(got, good ? value : 5);
}

/* Every byte after a backslash, and in each of the four places after \\u. */
DX_TEST(json_escapes_are_those_of_the_grammar)
{
    for (size_t at = 7; at < 12; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[] = "{\"a\":\"\\u0aF9\"}";
            dx_token_json_text found;
            static const char *const names[] = {"a"};
            const size_t n = sizeof text - 1;
            text[at] = (char)byte;
            model_end = text + n;
            const char *const end = model_value(text, 0, NULL);
            DX_CHECK_EQ(dx_token_json_find_members(text, n, names, 1, &found), end == model_end ? 0 : DX_TOKEN_ECORRUPT);
        }
    }
}

DX_TEST(json_is_read_up_to_its_deepest_level)
{
    char text[8 * DX_TOKEN_JSON_LEVELS_MAX];
    dx_token_json_text found;
    static const char *const names[] = {"x"};
    for (int kind = 0; kind < 2; kind++) {
        for (int depth = 1; depth <= DX_TOKEN_JSON_LEVELS_MAX + 2; depth++) {
            size_t n = put(text, 0, "{\"x\":");
            for (int i = 1; i < depth; i++) n = put(text, n, kind ? "[" : "{\"\":");
            if (!kind) text[n++] = '0';
            for (int i = 1; i < depth; i++) text[n++] = kind ? ']' : '}';
            if (kind && depth == 1) text[n++] = '0';
            text[n++] = '}';
            const bool good = depth <= DX_TOKEN_JSON_LEVELS_MAX;
            DX_CHECK_EQ(dx_token_json_find_members(text, n, names, 1, &found), good ? 0 : DX_TOKEN_ECORRUPT);
            if (good) DX_CHECK(found.begin == text + 5 && found.end == text + n - 1);
        }
    }
}

#define REFUSED(call) DX_CHECK_EQ((call), DX_TOKEN_EINVAL)

DX_TEST(token_functions_refuse_null)
{
    dx_token_key key;
    dx_token_claims claims;
    const char *value;
    uint8_t mac[32], bytes[32] = {0};
    size_t size;
    memset(&claims, 0, sizeof claims);
    REFUSED(dx_token_key_init(NULL, bytes, 32));
    REFUSED(dx_token_key_init(&key, NULL, 32));
    REFUSED(dx_token_key_init(&key, bytes, 31));
    DX_CHECK_EQ(dx_token_key_init(&key, bytes, 32), 0);
    REFUSED(dx_token_hmac(NULL, "a", 1, mac));
    REFUSED(dx_token_hmac(&key, NULL, 1, mac));
    REFUSED(dx_token_hmac(&key, "a", 1, NULL));
    REFUSED(dx_token_verify(NULL, "a.b.c", 5, 1, &claims));
    REFUSED(dx_token_find_claim(NULL, "a", &value, &size));
    REFUSED(dx_token_find_claim(&claims, NULL, &value, &size));
    REFUSED(dx_token_find_claim(&claims, "a", NULL, &size));
    REFUSED(dx_token_find_claim(&claims, "a", &value, NULL));
}
