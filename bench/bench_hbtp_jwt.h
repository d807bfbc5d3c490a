/* Part of bench_hbtp.c: the token of RFC 7515 A.1 (179 bytes), verified whole, with three kinds of HMAC and by libjwt. */
#if defined(__x86_64__)
  #include <immintrin.h>
#endif
#ifdef HAS_OPENSSL
  #include <openssl/evp.h>
  #include <openssl/hmac.h>
#endif
#ifdef HAS_LIBJWT
  #include <jwt.h>
#endif

static const char jwt_token[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char jwt_hex_key[] = "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebfd3fb5a92d20647ef968ab4c377623d223d2e2172052e4f08c0cd9af567d080a3";
enum { JWT_TIMES = 1000, JWT_NOW = 1300819000 };

static uint8_t        jwt_key[64];
static char           jwt_memory[256];
static dx_hbtp_jwt_key jwt_hmac;
static dx_hbtp_jwt    jwt_by;

/* A hook as a program with SHA instructions writes it: the states behind the key's first blocks are those of the header,
   only the compression is another. */
#if defined(__x86_64__)
static const uint32_t jwt_k[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu,
    0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau,
    0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u,
    0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u,
    0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu,
    0x682e6ff3u, 0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};

__attribute__((target("sha,sse4.1"))) static void sha_ni_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);
    __m128i s1 = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b);
    __m128i s0 = _mm_alignr_epi8(t, s1, 8);
    s1 = _mm_blend_epi16(s1, t, 0xf0);
    for (; blocks; blocks--, p += 64) {
        const __m128i save0 = s0, save1 = s1;
        __m128i w[4];
        for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), swap);
  #pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i m = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(const void *)(jwt_k + 4 * i)));
            s1 = _mm_sha256rnds2_epu32(s1, s0, m);
            s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(m, 0x0e));
            if (i < 12) {
                __m128i x = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(x, w[(i + 3) & 3]);
            }
        }
        s0 = _mm_add_epi32(s0, save0);
        s1 = _mm_add_epi32(s1, save1);
    }
    t = _mm_shuffle_epi32(s0, 0x1b);
    s1 = _mm_shuffle_epi32(s1, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(t, s1, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(s1, t, 8));
}

static void sha_ni_rest(const uint32_t begin[8], const uint8_t *p, size_t size, uint8_t out[32])
{
    uint32_t state[8];
    uint8_t last[128];
    const uint64_t bits = (64 + (uint64_t)size) * 8;
    const size_t whole = size / 64, left = size % 64, tail = left < 56 ? 64 : 128;
    memcpy(state, begin, sizeof state);
    sha_ni_blocks(state, p, whole);
    memset(last, 0, sizeof last);
    memcpy(last, p + 64 * whole, left);
    last[left] = 0x80;
    for (int i = 0; i < 8; i++) last[tail - 1 - (size_t)i] = (uint8_t)(bits >> 8 * i);
    sha_ni_blocks(state, last, tail / 64);
    for (int i = 0; i < 8; i++) {
        const uint32_t v = __builtin_bswap32(state[i]);
        memcpy(out + 4 * i, &v, 4);
    }
}

static int sha_ni_hmac(void *user, const void *message, size_t size, uint8_t mac[32])
{
    const dx_hbtp_jwt_key *h = (const dx_hbtp_jwt_key *)user;
    sha_ni_rest(h->inner, (const uint8_t *)message, size, mac);
    sha_ni_rest(h->outer, mac, 32, mac);
    return 0;
}
static bool has_sha_ni(void)
{
    unsigned a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (b >> 29 & 1) != 0;
}
#else
static int sha_ni_hmac(void *user, const void *message, size_t size, uint8_t mac[32]) { return dx_hbtp_jwt_hmac(user, message, size, mac); }
static bool has_sha_ni(void) { return false; }
#endif

static size_t jwt_run(dx_hbtp_jwt_hmac_fn *hmac, void *user)
{
    dx_hbtp_jwt_claims claims;
    jwt_by.hmac = hmac;
    jwt_by.hmac_user = user;
    for (int i = 0; i < JWT_TIMES; i++) {
        if (dx_hbtp_jwt_verify(&jwt_by, jwt_token, sizeof jwt_token - 1, JWT_NOW, &claims)) exit(6);
        sink += claims.exp;
    }
    return JWT_TIMES;
}
static size_t jwt_portable(void *user) { (void)user; return jwt_run(dx_hbtp_jwt_hmac, &jwt_hmac); }
static size_t jwt_sha_ni(void *user) { (void)user; return jwt_run(sha_ni_hmac, &jwt_hmac); }

#ifdef HAS_OPENSSL
  #pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static int openssl_hmac(void *user, const void *message, size_t size, uint8_t mac[32]) /* the key stays in the context */
{
    HMAC_CTX *ctx = (HMAC_CTX *)user;
    return !(HMAC_Init_ex(ctx, NULL, 0, NULL, NULL) && HMAC_Update(ctx, (const uint8_t *)message, size) && HMAC_Final(ctx, mac, NULL));
}
static size_t jwt_openssl(void *user)
{
    static HMAC_CTX *ctx;
    (void)user;
    if (!ctx) {
        ctx = HMAC_CTX_new();
        HMAC_Init_ex(ctx, jwt_key, 64, EVP_sha256(), NULL);
    }
    return jwt_run(openssl_hmac, ctx);
}
#endif

#ifdef HAS_LIBJWT
static size_t jwt_libjwt(void *user)
{
    (void)user;
    for (int i = 0; i < 50; i++) {
        jwt_t *t = NULL;
        if (jwt_decode(&t, jwt_token, jwt_key, 64)) exit(7);
        sink += (uint64_t)jwt_get_grant_int(t, "exp");
        jwt_free(t);
    }
    return 50;
}
#endif

static void prepare_jwt(void)
{
    for (size_t i = 0; i < 64; i++) sscanf(jwt_hex_key + 2 * i, "%2hhx", &jwt_key[i]);
    if (dx_hbtp_jwt_key_init(&jwt_hmac, jwt_key, 64)) exit(8);
    jwt_by.memory = jwt_memory;
    jwt_by.memory_size = sizeof jwt_memory;
}
