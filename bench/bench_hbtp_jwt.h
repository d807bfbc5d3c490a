/* Part of bench_hbtp.c: the token of RFC 7515 A.1 (179 bytes), verified whole, with the HMAC of dx_sha256.h, with OpenSSL's, and by libjwt. */
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
static dx_token_key   jwt_hmac;
static dx_token_rules jwt_by;

static size_t jwt_run(dx_token_hmac_fn *hmac, void *user)
{
    dx_token_claims claims;
    jwt_by.hmac = hmac;
    jwt_by.hmac_user = user;
    for (int i = 0; i < JWT_TIMES; i++) {
        if (dx_token_verify(&jwt_by, jwt_token, sizeof jwt_token - 1, JWT_NOW, &claims)) exit(6);
        sink += claims.expires_s;
    }
    return JWT_TIMES;
}
static size_t jwt_own(void *user) { (void)user; return jwt_run(dx_token_hmac, &jwt_hmac); }

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

/* The name of the case: dx_sha256.h uses the instructions of the processor, except with -DDX_SHA256_PORTABLE. */
static const char *jwt_case(void)
{
#if defined(__x86_64__) && !defined(DX_SHA256_PORTABLE)
    unsigned a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (b >> 29 & 1) return "jwt SHA-NI";
#endif
    return "jwt portable";
}

static void prepare_jwt(void)
{
    for (size_t i = 0; i < 64; i++) sscanf(jwt_hex_key + 2 * i, "%2hhx", &jwt_key[i]);
    if (dx_token_key_init(&jwt_hmac, jwt_key, 64)) exit(8);
    jwt_by.memory = jwt_memory;
    jwt_by.memory_size = sizeof jwt_memory;
}
