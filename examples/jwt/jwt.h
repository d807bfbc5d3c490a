/*  jwt.h - JSON Web Tokens signed with HS256, beside dx_hbtp.h: strict, constant time, nothing allocated

    Include it behind dx_hbtp.h; where DX_HBTP_IMPLEMENTATION or DX_IMPLEMENTATION is defined the functions are here, too (they
    use helpers of that implementation, so both belong in the same file). MIT-0 or public domain, as dx_hbtp.h.

        static char memory[1024];
        dx_hbtp_hmac key;
        dx_hbtp_jwt jwt = {dx_hbtp_hmac_sha256, &key, memory, sizeof memory};
        dx_hbtp_claims claims;
        dx_hbtp_hmac_init(&key, secret, secret_size);
        if (dx_hbtp_jwt_verify(&jwt, token, token_size, now_in_seconds, &claims)) return DX_HBTP_STATUS_UNAUTHORIZED;
*/
#ifndef DX_HBTP_JWT_H
#define DX_HBTP_JWT_H

#include "../../dx_hbtp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* >>tokens ------------------------------------------------------------- */
/* HMAC-SHA-256 (RFC 2104) under the key that `user` stands for. Not 0: it failed. */
typedef int dx_hbtp_hmac_fn(void *user, const void *message, size_t size, uint8_t mac[32]);

typedef struct dx_hbtp_hmac { /* a key, prepared; private */
    uint32_t inner_[8], outer_[8];
} dx_hbtp_hmac;

/* The one that is built in, portable; a library's takes its place where speed counts. The key is
   not kept. EINVAL: under 32 bytes. */
DX_HBTP_API int dx_hbtp_hmac_init(dx_hbtp_hmac *hmac, const void *key, size_t size);
/* A dx_hbtp_hmac_fn; user: the dx_hbtp_hmac. */
DX_HBTP_API int dx_hbtp_hmac_sha256(void *user, const void *message, size_t size, uint8_t mac[32]);

typedef struct dx_hbtp_jwt { /* what a token must be; set the fields, zero the rest */
    dx_hbtp_hmac_fn *hmac;     /* required */
    void            *hmac_user;
    char            *memory;   /* required; for what a token says, three quarters of its size */
    size_t           memory_size;
    const char      *key_id;   /* "kid" of the header; NULL: not asked for */
    const char      *issuer;   /* NULL: not asked for */
    const char      *audience; /* one of "aud"; NULL: not asked for */
    uint32_t         leeway_s; /* by which clocks may differ */
    bool             no_exp;   /* true: a token may be without end */
} dx_hbtp_jwt;

typedef struct dx_hbtp_claims { /* lies in the memory of the dx_hbtp_jwt until the next token */
    const char *json;
    size_t      size;
    uint64_t    exp, nbf; /* seconds since 1970; UINT64_MAX and 0 where there is none */
} dx_hbtp_claims;

/* Verify a JSON Web Token (RFC 7519) that is signed with HS256 and nothing else. The signature is
   compared, in constant time, before anything is read. Once a connection, not once a frame.
   ECORRUPT: not three parts of strict base64url, not JSON, a date that is no whole number up to
   2^53, or a name twice of those that count here; ETOOBIG; ESIGNATURE; ENOTSUP: another "alg", or
   "crit"; ENOTFOUND: another key_id; EEXPIRED (also: no "exp"), EEARLY, EAUDIENCE; ESYS: hmac
   failed; EINVAL. To the peer all of them are DX_HBTP_STATUS_UNAUTHORIZED. */
DX_HBTP_API int dx_hbtp_jwt_verify(const dx_hbtp_jwt *jwt, const char *token, size_t size,
                                   uint64_t now_s, dx_hbtp_claims *claims);
/* The value of a claim as it stands in the JSON, strings with their quotes. ENOTFOUND; ECORRUPT:
   there twice. */
DX_HBTP_API int dx_hbtp_claim(const dx_hbtp_claims *claims, const char *name, const char **value,
                              size_t *size);

#ifdef __cplusplus
}
#endif
#endif

#if (defined(DX_HBTP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_HBTP_JWT_IMPLEMENTED)
#define DX_HBTP_JWT_IMPLEMENTED
#include <string.h>

/* >>sha-256 (FIPS 180-4) ----------------------------------------------- */
static uint32_t dx_hbtp_p_load32_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t dx_hbtp_p_rotate(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }

static void dx_hbtp_p_sha256_block(uint32_t state[8], const uint8_t *block)
{
    static const uint32_t k[64] = {
        0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
        0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
        0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
        0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
        0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
        0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
        0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
        0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
        0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
        0xc67178f2u};
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7], w[64], s, t;
    unsigned i;
    for (i = 0; i < 16; i++) w[i] = dx_hbtp_p_load32_big(block + 4 * i);
    for (; i < 64; i++) {
        s = w[i - 15];
        t = w[i - 2];
        w[i] = (dx_hbtp_p_rotate(s, 7) ^ dx_hbtp_p_rotate(s, 18) ^ s >> 3) + w[i - 16] + w[i - 7] +
               (dx_hbtp_p_rotate(t, 17) ^ dx_hbtp_p_rotate(t, 19) ^ t >> 10);
    }
#define DX_HBTP_P_ROUND(a, b, c, d, e, f, g, h, n)                                                 \
    h += w[i + n] + k[i + n] + (g ^ (e & (f ^ g))) +                                               \
         (dx_hbtp_p_rotate(e, 6) ^ dx_hbtp_p_rotate(e, 11) ^ dx_hbtp_p_rotate(e, 25));             \
    d += h;                                                                                        \
    h += ((a & b) | (c & (a | b))) +                                                               \
         (dx_hbtp_p_rotate(a, 2) ^ dx_hbtp_p_rotate(a, 13) ^ dx_hbtp_p_rotate(a, 22))
    for (i = 0; i < 64; i += 8) { /* instead of moving eight variables on */
        DX_HBTP_P_ROUND(a, b, c, d, e, f, g, h, 0);
        DX_HBTP_P_ROUND(h, a, b, c, d, e, f, g, 1);
        DX_HBTP_P_ROUND(g, h, a, b, c, d, e, f, 2);
        DX_HBTP_P_ROUND(f, g, h, a, b, c, d, e, 3);
        DX_HBTP_P_ROUND(e, f, g, h, a, b, c, d, 4);
        DX_HBTP_P_ROUND(d, e, f, g, h, a, b, c, 5);
        DX_HBTP_P_ROUND(c, d, e, f, g, h, a, b, 6);
        DX_HBTP_P_ROUND(b, c, d, e, f, g, h, a, 7);
    }
#undef DX_HBTP_P_ROUND
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

/* The rest of a message whose first `before` bytes, whole blocks, are in `state`. */
static void dx_hbtp_p_sha256(const uint32_t begin[8], uint64_t before, const uint8_t *p,
                             size_t size, uint8_t out[32])
{
    const uint64_t bits = (before + size) * 8;
    uint32_t state[8];
    uint8_t block[64] = {0};
    unsigned i;
    memcpy(state, begin, sizeof state);
    for (; size >= 64; p += 64, size -= 64) dx_hbtp_p_sha256_block(state, p);
    if (size) memcpy(block, p, size);
    block[size] = 0x80;
    if (size >= 56) {
        dx_hbtp_p_sha256_block(state, block);
        memset(block, 0, sizeof block);
    }
    for (i = 0; i < 8; i++) block[63 - i] = (uint8_t)(bits >> 8 * i & 0xff);
    dx_hbtp_p_sha256_block(state, block);
    for (i = 0; i < 32; i++) out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i & 3)) & 0xff);
}

static void dx_hbtp_p_hmac_key(dx_hbtp_hmac *hmac, const uint8_t *key, size_t size)
{
    static const uint32_t begin[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    uint8_t block[64] = {0};
    unsigned i;
    if (size > sizeof block) dx_hbtp_p_sha256(begin, 0, key, size, block);
    else if (size) memcpy(block, key, size);
    for (i = 0; i < 64; i++) block[i] ^= 0x36;
    memcpy(hmac->inner_, begin, sizeof begin);
    dx_hbtp_p_sha256_block(hmac->inner_, block);
    for (i = 0; i < 64; i++) block[i] ^= 0x36 ^ 0x5c;
    memcpy(hmac->outer_, begin, sizeof begin);
    dx_hbtp_p_sha256_block(hmac->outer_, block);
}

DX_HBTP_API int dx_hbtp_hmac_init(dx_hbtp_hmac *hmac, const void *key, size_t size)
{
    if (!hmac || !key || size < 32) return DX_HBTP_EINVAL;
    dx_hbtp_p_hmac_key(hmac, (const uint8_t *)key, size);
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_hmac_sha256(void *user, const void *message, size_t size, uint8_t mac[32])
{
    const dx_hbtp_hmac *hmac = (const dx_hbtp_hmac *)user;
    if (!hmac || (!message && size) || !mac) return DX_HBTP_EINVAL;
    dx_hbtp_p_sha256(hmac->inner_, 64, (const uint8_t *)message, size, mac);
    dx_hbtp_p_sha256(hmac->outer_, 64, mac, 32, mac);
    return DX_HBTP_OK;
}

/* >>json: one pass, strict (RFC 8259), nothing built ---------------------- */
struct dx_hbtp_p_text {
    const char *p, *end;
};

static char dx_hbtp_p_peek(struct dx_hbtp_p_text *t) /* behind white space; 0: the end */
{
    for (; t->p < t->end; t->p++)
        if (*t->p != ' ' && *t->p != '\t' && *t->p != '\n' && *t->p != '\r') return *t->p;
    return 0;
}

static bool dx_hbtp_p_take(struct dx_hbtp_p_text *t, char c)
{
    if (dx_hbtp_p_peek(t) != c) return false;
    t->p++;
    return true;
}

static bool dx_hbtp_p_json_string(struct dx_hbtp_p_text *t)
{
    unsigned hex = 0;
    if (!dx_hbtp_p_take(t, '"')) return false;
    for (; t->p < t->end; t->p++) {
        const char c = *t->p;
        if (hex) {
            const char low = dx_hbtp_p_lower(c);
            if (!((c >= '0' && c <= '9') || (low >= 'a' && low <= 'f'))) return false;
            hex--;
        } else if (c != '"' && c != '\\') {
            if ((unsigned char)c < 0x20) return false;
        } else if (c == '"') {
            t->p++;
            return true;
        } else {
            const char *known = "\"\\/bfnrtu";
            if (++t->p == t->end) return false;
            while (*known && *known != *t->p) known++;
            if (!*known) return false;
            hex = *t->p == 'u' ? 4 : 0;
        }
    }
    return false;
}

static size_t dx_hbtp_p_digits(struct dx_hbtp_p_text *t)
{
    const char *begin = t->p;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9') t->p++;
    return (size_t)(t->p - begin);
}

static bool dx_hbtp_p_json_scalar(struct dx_hbtp_p_text *t)
{
    const char c = dx_hbtp_p_peek(t);
    const char *word = c == 't' ? "true" : c == 'f' ? "false" : c == 'n' ? "null" : NULL;
    size_t n;
    if (c == '"') return dx_hbtp_p_json_string(t);
    if (word) {
        n = dx_hbtp_p_length(word);
        if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n)) return false;
        t->p += n;
        return true;
    }
    if (c == '-') t->p++;
    word = t->p;
    n = dx_hbtp_p_digits(t);
    if (!n || (n > 1 && *word == '0')) return false;
    if (t->p < t->end && *t->p == '.') {
        t->p++;
        if (!dx_hbtp_p_digits(t)) return false;
    }
    if (t->p < t->end && (*t->p == 'e' || *t->p == 'E')) {
        t->p++;
        if (t->p < t->end && (*t->p == '+' || *t->p == '-')) t->p++;
        if (!dx_hbtp_p_digits(t)) return false;
    }
    return true;
}

/* A value of any kind, at most 31 levels deep. */
static bool dx_hbtp_p_json_value(struct dx_hbtp_p_text *t)
{
    uint32_t levels = 1; /* a bit each under the highest: 1 for an object */
    bool fresh = false;  /* an array or object has just begun */
    do {
        const char c = dx_hbtp_p_peek(t);
        if (levels > 1 && c == (levels & 1 ? '}' : ']')) {
            t->p++;
            levels >>= 1;
            fresh = false;
            continue;
        }
        if (levels > 1 && !fresh && !dx_hbtp_p_take(t, ',')) return false;
        if (levels > 1 && (levels & 1) && !(dx_hbtp_p_json_string(t) && dx_hbtp_p_take(t, ':')))
            return false;
        fresh = dx_hbtp_p_peek(t) == '{' || dx_hbtp_p_peek(t) == '[';
        if (!fresh && !dx_hbtp_p_json_scalar(t)) return false;
        if (fresh && levels >> 31) return false;
        if (fresh) levels = levels << 1 | (*t->p++ == '{');
    } while (levels > 1);
    return true;
}

struct dx_hbtp_p_member {
    const char *value; /* NULL: not there */
    size_t      size;
};

/* Find the members of an object that have these names, each there once at most; everything else in
   it is checked and passed over. Names with escapes are refused: they could hide a second one. */
static int dx_hbtp_p_json_members(const char *json, size_t size, const char *const *names,
                                  unsigned count, struct dx_hbtp_p_member *found)
{
    struct dx_hbtp_p_text t;
    bool first = true;
    memset(found, 0, count * sizeof *found);
    t.p = json;
    t.end = json + size;
    if (!dx_hbtp_p_take(&t, '{')) return DX_HBTP_ECORRUPT;
    for (; !dx_hbtp_p_take(&t, '}'); first = false) {
        const char *name, *value;
        size_t n, i;
        if (!first && !dx_hbtp_p_take(&t, ',')) return DX_HBTP_ECORRUPT;
        (void)dx_hbtp_p_peek(&t);
        name = t.p + 1;
        if (!dx_hbtp_p_json_string(&t)) return DX_HBTP_ECORRUPT;
        n = (size_t)(t.p - name) - 1;
        for (i = 0; i < n; i++)
            if (name[i] == '\\') return DX_HBTP_ECORRUPT;
        if (!dx_hbtp_p_take(&t, ':')) return DX_HBTP_ECORRUPT;
        (void)dx_hbtp_p_peek(&t);
        value = t.p;
        if (!dx_hbtp_p_json_value(&t)) return DX_HBTP_ECORRUPT;
        for (i = 0; i < count; i++) {
            if (n != dx_hbtp_p_length(names[i]) || memcmp(name, names[i], n)) continue;
            if (found[i].value) return DX_HBTP_ECORRUPT;
            found[i].value = value;
            found[i].size = (size_t)(t.p - value);
        }
    }
    (void)dx_hbtp_p_peek(&t);
    return t.p == t.end ? DX_HBTP_OK : DX_HBTP_ECORRUPT;
}

/* >>tokens ------------------------------------------------------------- */
/* What a character of base64url (RFC 4648, 5) stands for; 64: it is none. */
static uint32_t dx_hbtp_p_sextet(char character)
{
    static const uint8_t values['z' - '-' + 1] = {
        62, 64, 64, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64,
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
        20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 63, 64, 26, 27, 28, 29, 30, 31, 32, 33,
        34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51};
    const unsigned c = (unsigned)(unsigned char)character - '-';
    return c < sizeof values ? values[c] : 64u;
}

/* Strict: no padding, unused bits zero. Returns the bytes written, SIZE_MAX: bad. */
static size_t dx_hbtp_p_base64url(const char *in, size_t size, char *out)
{
    uint32_t group, bad = size % 4 == 1 ? 64 : 0;
    size_t n = 0;
    for (;; in += 4, size -= 4) {
        const uint32_t a = size > 0 ? dx_hbtp_p_sextet(in[0]) : 0;
        const uint32_t b = size > 1 ? dx_hbtp_p_sextet(in[1]) : 0;
        const uint32_t c = size > 2 ? dx_hbtp_p_sextet(in[2]) : 0;
        const uint32_t d = size > 3 ? dx_hbtp_p_sextet(in[3]) : 0;
        bad |= a | b | c | d;
        group = a << 18 | b << 12 | c << 6 | d;
        if (size > 1) out[n++] = (char)(group >> 16 & 0xff);
        if (size > 2) out[n++] = (char)(group >> 8 & 0xff);
        if (size < 4) break;
        out[n++] = (char)(group & 0xff);
    }
    if (size == 2) bad |= (group & 0xffff) << 6;
    if (size == 3) bad |= (group & 0xff) << 6;
    return bad & ~63u ? SIZE_MAX : n;
}

/* Is this JSON string the text? Only "/" may be escaped, as some writers do. */
static bool dx_hbtp_p_says(const char *p, size_t size, const char *text)
{
    const char *const end = p + size - 1;
    if (size < 2 || *p != '"') return false;
    for (p++; p < end; p++, text++) {
        if (*p == '\\' && p[1] == '/') p++;
        if (!*text || *p != *text) return false;
    }
    return !*text;
}

/* One string, or an array with such a string in it. */
static bool dx_hbtp_p_is_among(const struct dx_hbtp_p_member *m, const char *text)
{
    struct dx_hbtp_p_text t;
    const char *begin;
    if (!m->value || *m->value != '[') return m->value && dx_hbtp_p_says(m->value, m->size, text);
    t.p = m->value + 1;
    t.end = m->value + m->size;
    while (!dx_hbtp_p_take(&t, ']')) {
        (void)(dx_hbtp_p_take(&t, ',') && dx_hbtp_p_peek(&t));
        begin = t.p;
        (void)dx_hbtp_p_json_value(&t); /* it was checked before */
        if (dx_hbtp_p_says(begin, (size_t)(t.p - begin), text)) return true;
    }
    return false;
}

/* A NumericDate: a whole number from 0 to 2^53. */
static bool dx_hbtp_p_date(const struct dx_hbtp_p_member *m, uint64_t *date)
{
    size_t i;
    if (!m->value) return true;
    for (i = 0, *date = 0; i < m->size; i++) {
        if (i == 16 || m->value[i] < '0' || m->value[i] > '9') return false;
        *date = *date * 10 + (uint64_t)(m->value[i] - '0');
    }
    return *date <= (uint64_t)1 << 53;
}

static int dx_hbtp_p_check_header(const dx_hbtp_jwt *jwt, const char *part, size_t size)
{
    static const char *const names[] = {"alg", "crit", "kid"};
    struct dx_hbtp_p_member m[3];
    int error;
    if (size / 4 * 3 + 2 > jwt->memory_size) return DX_HBTP_ETOOBIG;
    size = dx_hbtp_p_base64url(part, size, jwt->memory);
    if (size == SIZE_MAX) return DX_HBTP_ECORRUPT;
    error = dx_hbtp_p_json_members(jwt->memory, size, names, 3, m);
    if (error) return error;
    if (!m[0].value || !dx_hbtp_p_says(m[0].value, m[0].size, "HS256") || m[1].value)
        return DX_HBTP_ENOTSUP;
    if (jwt->key_id && !(m[2].value && dx_hbtp_p_says(m[2].value, m[2].size, jwt->key_id)))
        return DX_HBTP_ENOTFOUND;
    return DX_HBTP_OK;
}

static int dx_hbtp_p_check_claims(const dx_hbtp_jwt *jwt, const char *part, size_t size,
                                  uint64_t now_s, dx_hbtp_claims *claims)
{
    static const char *const names[] = {"exp", "nbf", "iat", "iss", "aud"};
    struct dx_hbtp_p_member m[5];
    uint64_t issued = 0;
    int error;
    if (size / 4 * 3 + 2 > jwt->memory_size) return DX_HBTP_ETOOBIG;
    claims->json = jwt->memory;
    claims->size = dx_hbtp_p_base64url(part, size, jwt->memory);
    claims->exp = UINT64_MAX;
    claims->nbf = 0;
    if (claims->size == SIZE_MAX) return DX_HBTP_ECORRUPT;
    error = dx_hbtp_p_json_members(claims->json, claims->size, names, 5, m);
    if (error) return error;
    if (!dx_hbtp_p_date(&m[0], &claims->exp) || !dx_hbtp_p_date(&m[1], &claims->nbf) ||
        !dx_hbtp_p_date(&m[2], &issued))
        return DX_HBTP_ECORRUPT;
    if (!m[0].value && !jwt->no_exp) return DX_HBTP_EEXPIRED;
    if (now_s >= claims->exp && now_s - claims->exp >= jwt->leeway_s) return DX_HBTP_EEXPIRED;
    if (now_s < claims->nbf && claims->nbf - now_s > jwt->leeway_s) return DX_HBTP_EEARLY;
    if ((jwt->issuer && !(m[3].value && dx_hbtp_p_says(m[3].value, m[3].size, jwt->issuer))) ||
        (jwt->audience && !dx_hbtp_p_is_among(&m[4], jwt->audience)))
        return DX_HBTP_EAUDIENCE;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_jwt_verify(const dx_hbtp_jwt *jwt, const char *token, size_t size,
                                   uint64_t now_s, dx_hbtp_claims *claims)
{
    uint8_t sent[33], mac[32];
    size_t dot = 0, end, i; /* of the header; of what is signed */
    uint64_t difference = 0;
    int error;
    if (!jwt || !jwt->hmac || !jwt->memory || !token || !claims) return DX_HBTP_EINVAL;
    if (size / 4 > jwt->memory_size) return DX_HBTP_ETOOBIG;
    if (size < 46) return DX_HBTP_ECORRUPT;
    end = size - 44; /* 43 characters are 32 bytes; a dot elsewhere is no character of base64url */
    while (dot < end && token[dot] != '.') dot++;
    if (dot == end || token[end] != '.' ||
        dx_hbtp_p_base64url(token + end + 1, 43, (char *)sent) == SIZE_MAX)
        return DX_HBTP_ECORRUPT;
    if (jwt->hmac(jwt->hmac_user, token, end, mac)) return DX_HBTP_ESYS;
    for (i = 0; i < 32; i += 8)
        difference |= dx_hbtp_p_load64(mac + i) ^ dx_hbtp_p_load64(sent + i);
    if (difference) return DX_HBTP_ESIGNATURE;
    error = dx_hbtp_p_check_header(jwt, token, dot);
    if (error) return error;
    return dx_hbtp_p_check_claims(jwt, token + dot + 1, end - dot - 1, now_s, claims);
}

DX_HBTP_API int dx_hbtp_claim(const dx_hbtp_claims *claims, const char *name, const char **value,
                              size_t *size)
{
    struct dx_hbtp_p_member m;
    int error;
    if (!claims || !name || !value || !size) return DX_HBTP_EINVAL;
    error = dx_hbtp_p_json_members(claims->json, claims->size, &name, 1, &m);
    if (error) return error;
    *value = m.value;
    *size = m.size;
    return m.value ? DX_HBTP_OK : DX_HBTP_ENOTFOUND;
}
#endif
