/*  jwt.h - JSON Web Tokens signed with HS256, beside dx_hbtp.h: strict, constant time, nothing allocated

    Include it behind dx_hbtp.h; where DX_HBTP_IMPLEMENTATION or DX_IMPLEMENTATION is defined the functions are here, too (they
    use helpers of that implementation, so both belong in the same file). MIT-0 or public domain, as dx_hbtp.h.

        static char memory[1024];
        dx_hbtp_jwt_key key;
        dx_hbtp_jwt jwt = {dx_hbtp_jwt_hmac, &key, memory, sizeof memory};
        dx_hbtp_jwt_claims claims;
        dx_hbtp_jwt_key_init(&key, secret, secret_size);
        if (dx_hbtp_jwt_verify(&jwt, token, token_size, now_in_seconds, &claims)) return DX_HBTP_STATUS_UNAUTHORIZED;
*/
#ifndef DX_HBTP_JWT_H
#define DX_HBTP_JWT_H

#include "../../dx_hbtp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* >>jwt ---------------------------------------------------------------- */
/* JSON Web Tokens (RFC 7519), signed with HS256 and nothing else. One is verified once a connection,
   not once a frame. HMAC-SHA-256 (RFC 2104), not 0: it failed; `user` stands for the key. */
typedef int dx_hbtp_jwt_hmac_fn(void *user, const void *message, size_t size, uint8_t mac[32]);

typedef struct dx_hbtp_jwt_key { /* the state of SHA-256 behind the first block of both hashes */
    uint32_t inner[8], outer[8];
} dx_hbtp_jwt_key;

/* The key is not kept. EINVAL: under 32 bytes. */
DX_HBTP_API int dx_hbtp_jwt_key_init(dx_hbtp_jwt_key *prepared, const void *key, size_t size);
/* The hmac that is built in, portable; user: a dx_hbtp_jwt_key. */
DX_HBTP_API int dx_hbtp_jwt_hmac(void *user, const void *message, size_t size, uint8_t mac[32]);

typedef struct dx_hbtp_jwt { /* what a token must be; set the fields, zero the rest */
    dx_hbtp_jwt_hmac_fn *hmac;     /* required */
    void                *hmac_user;
    char                *memory;   /* required; for what a token says, three quarters of its size */
    size_t               memory_size;
    const char          *key_id, *issuer, *audience; /* "kid", "iss", one of "aud"; NULL: any */
    uint32_t             leeway_s; /* by which clocks may differ */
    bool                 no_exp;   /* true: a token may be without end */
} dx_hbtp_jwt;

typedef struct dx_hbtp_jwt_claims { /* lies in the memory of the dx_hbtp_jwt until the next token */
    const char *json;
    size_t      size;
    uint64_t    exp, nbf; /* seconds since 1970; UINT64_MAX and 0 where there is none */
} dx_hbtp_jwt_claims;

/* The signature is compared, in constant time, before anything is read. ECORRUPT: not three parts
   of strict base64url, not JSON, a date that is no whole number up to 2^53, or a name twice of
   those that count here; ETOOBIG; ESIGNATURE; ENOTSUP: another "alg", or "crit"; ENOTFOUND: another
   key_id; EEXPIRED (also: no "exp"), EEARLY, EAUDIENCE; ESYS: hmac failed; EINVAL. */
DX_HBTP_API int dx_hbtp_jwt_verify(const dx_hbtp_jwt *jwt, const char *token, size_t size,
                                   uint64_t now_s, dx_hbtp_jwt_claims *claims);
/* The value of a claim as it stands in the JSON, strings with their quotes. ENOTFOUND; ECORRUPT:
   there twice. */
DX_HBTP_API int dx_hbtp_jwt_claim(const dx_hbtp_jwt_claims *claims, const char *name,
                                  const char **value, size_t *size);

#ifdef __cplusplus
}
#endif
#endif

#if (defined(DX_HBTP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_HBTP_JWT_IMPLEMENTED)
#define DX_HBTP_JWT_IMPLEMENTED
#include <string.h>

/* >>jwt: SHA-256 (FIPS 180-4) ------------------------------------------ */
static uint32_t dx_hbtp_p_rotate(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }

#define DX_HBTP_P_SIXTEEN(x)                                                                       \
    x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
/* Of the variables a to h; they move on by one each round, and here stay where they are. */
#define DX_HBTP_P_V(letter, n) v[((letter) - (n)) & 7]
/* (a & b) | (c & (a | b)) is b ^ ((a ^ b) & (b ^ c)), and b ^ c was the a ^ b of the round before. */
#define DX_HBTP_P_ROUND(n)                                                                         \
    s = DX_HBTP_P_V(4, n);                                                                         \
    t = DX_HBTP_P_V(7, n) + w[n] + k[i + n] +                                                      \
        (DX_HBTP_P_V(6, n) ^ (s & (DX_HBTP_P_V(5, n) ^ DX_HBTP_P_V(6, n)))) +                      \
        (dx_hbtp_p_rotate(s, 6) ^ dx_hbtp_p_rotate(s, 11) ^ dx_hbtp_p_rotate(s, 25));              \
    DX_HBTP_P_V(3, n) += t;                                                                        \
    s = DX_HBTP_P_V(0, n);                                                                         \
    ab = s ^ DX_HBTP_P_V(1, n);                                                                    \
    DX_HBTP_P_V(7, n) = t + (DX_HBTP_P_V(1, n) ^ (ab & bc)) +                                      \
        (dx_hbtp_p_rotate(s, 2) ^ dx_hbtp_p_rotate(s, 13) ^ dx_hbtp_p_rotate(s, 22));              \
    bc = ab;
#define DX_HBTP_P_NEXT(n)                                                                          \
    s = w[((n) + 1) & 15];                                                                         \
    t = w[((n) + 14) & 15];                                                                        \
    w[n] += (dx_hbtp_p_rotate(s, 7) ^ dx_hbtp_p_rotate(s, 18) ^ s >> 3) + w[((n) + 9) & 15] +      \
            (dx_hbtp_p_rotate(t, 17) ^ dx_hbtp_p_rotate(t, 19) ^ t >> 10);

static void dx_hbtp_p_sha256_block(uint32_t state[8], const uint8_t *block)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t v[8], w[16], s, t, ab, bc;
    unsigned i;
    for (i = 0; i < 8; i++) v[i] = state[i];
    for (i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
               block[3];
    bc = v[1] ^ v[2];
    for (i = 0;;) {
        DX_HBTP_P_SIXTEEN(DX_HBTP_P_ROUND)
        if ((i += 16) == 64) break;
        DX_HBTP_P_SIXTEEN(DX_HBTP_P_NEXT)
    }
    for (i = 0; i < 8; i++) state[i] += v[i];
}

/* The rest of a message whose first `before` bytes, whole blocks, are in `begin`. */
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
    for (i = 0; i < 8; i++, out += 4)
        dx_hbtp_p_store32(out, (dx_hbtp_p_rotate(state[i], 8) & 0xff00ff00u) |
                                   (dx_hbtp_p_rotate(state[i], 24) & 0x00ff00ffu));
}

DX_HBTP_API int dx_hbtp_jwt_key_init(dx_hbtp_jwt_key *prepared, const void *key, size_t size)
{
    static const uint32_t begin[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    uint8_t block[64] = {0};
    unsigned i;
    if (!prepared || !key || size < 32) return DX_HBTP_EINVAL;
    if (size <= sizeof block) memcpy(block, key, size);
    else dx_hbtp_p_sha256(begin, 0, (const uint8_t *)key, size, block);
    for (i = 0; i < 64; i++) block[i] ^= 0x36;
    memcpy(prepared->inner, begin, sizeof begin);
    dx_hbtp_p_sha256_block(prepared->inner, block);
    for (i = 0; i < 64; i++) block[i] ^= 0x36 ^ 0x5c;
    memcpy(prepared->outer, begin, sizeof begin);
    dx_hbtp_p_sha256_block(prepared->outer, block);
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_jwt_hmac(void *user, const void *message, size_t size, uint8_t mac[32])
{
    const dx_hbtp_jwt_key *key = (const dx_hbtp_jwt_key *)user;
    if (!key || (!message && size) || !mac) return DX_HBTP_EINVAL;
    dx_hbtp_p_sha256(key->inner, 64, (const uint8_t *)message, size, mac);
    dx_hbtp_p_sha256(key->outer, 64, mac, 32, mac);
    return DX_HBTP_OK;
}

/* >>jwt: JSON (RFC 8259), strict, in one pass, nothing built ------------ */
struct dx_hbtp_p_text { /* p NULL: not there */
    const char *p, *end;
};

static char dx_hbtp_p_at(const struct dx_hbtp_p_text *t) { return t->p < t->end ? *t->p : '\0'; }

static char dx_hbtp_p_peek(struct dx_hbtp_p_text *t) /* behind white space; 0: the end */
{
    for (; t->p < t->end; t->p++)
        if (*t->p > ' ' || (*t->p != ' ' && *t->p != '\t' && *t->p != '\n' && *t->p != '\r'))
            return *t->p;
    return 0;
}

static bool dx_hbtp_p_take(struct dx_hbtp_p_text *t, char c)
{
    if (dx_hbtp_p_peek(t) != c) return false;
    t->p++;
    return true;
}

/* 0: not a string; 1: it is one, 2: with an escape in it. */
static int dx_hbtp_p_json_string(struct dx_hbtp_p_text *t)
{
    const char *known;
    int kind = 1, hex;
    if (!dx_hbtp_p_take(t, '"')) return 0;
    for (;; kind = 2) {
        const char *p = t->p;
        while (p < t->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
        t->p = p;
        if (t->p == t->end || (unsigned char)*t->p < 0x20) return 0;
        if (*t->p++ == '"') return kind;
        for (known = "\"\\/bfnrtu"; *known && *known != dx_hbtp_p_at(t);) known++;
        if (!*known) return 0;
        for (hex = *known == 'u' ? 4 : 0, t->p++; hex; hex--, t->p++) {
            const char c = dx_hbtp_p_at(t), low = dx_hbtp_p_lower(c);
            if ((c < '0' || c > '9') && (low < 'a' || low > 'f')) return 0;
        }
    }
}

/* A whole part, perhaps a fraction, perhaps an exponent. */
static bool dx_hbtp_p_json_number(struct dx_hbtp_p_text *t)
{
    int part;
    t->p += dx_hbtp_p_at(t) == '-';
    for (part = 0; part < 3; part++) {
        const char c = dx_hbtp_p_at(t), *begin;
        if (part && !(part == 1 ? c == '.' : c == 'e' || c == 'E')) continue;
        t->p += part > 0;
        t->p += part == 2 && (dx_hbtp_p_at(t) == '+' || dx_hbtp_p_at(t) == '-');
        for (begin = t->p; dx_hbtp_p_at(t) >= '0' && dx_hbtp_p_at(t) <= '9';) t->p++;
        if (t->p == begin || (!part && *begin == '0' && t->p - begin > 1)) return false;
    }
    return true;
}

static bool dx_hbtp_p_json_scalar(struct dx_hbtp_p_text *t)
{
    const char c = dx_hbtp_p_peek(t);
    const char *word = c == 't' ? "true" : c == 'f' ? "false" : c == 'n' ? "null" : NULL;
    if (c == '"') return dx_hbtp_p_json_string(t) != 0;
    if (!word) return dx_hbtp_p_json_number(t);
    for (; *word && *word == dx_hbtp_p_at(t); word++) t->p++;
    return !*word;
}

/* Note a member, if its name is one of these. False: for the second time. */
static bool dx_hbtp_p_json_note(const struct dx_hbtp_p_text *name,
                                const struct dx_hbtp_p_text *value, const char *const *names,
                                unsigned count, struct dx_hbtp_p_text *found)
{
    const size_t size = (size_t)(name->end - name->p);
    for (; count; count--, names++, found++) {
        if (**names != *name->p || size != dx_hbtp_p_length(*names) ||
            memcmp(name->p, *names, size) != 0)
            continue;
        if (found->p) return false;
        *found = *value;
    }
    return true;
}

/* Find the members of an object that have these names; everything else in it, at most 31 levels
   deep, is checked. Escapes in its names are refused: they could hide a second one. */
static bool dx_hbtp_p_json_members(const char *json, size_t size, const char *const *names,
                                   unsigned count, struct dx_hbtp_p_text *found)
{
    struct dx_hbtp_p_text t, name = {NULL, NULL}, value = {NULL, NULL};
    uint32_t levels = 1; /* a bit each under the highest: 1 for an object; 3: in the outermost */
    bool fresh = false;  /* an array or object has just begun */
    t.p = json;
    t.end = json + size;
    memset(found, 0, count * sizeof *found);
    if (dx_hbtp_p_peek(&t) != '{') return false;
    do {
        char c = dx_hbtp_p_peek(&t);
        const bool closes = levels > 1 && c == (levels & 1 ? '}' : ']');
        if (!closes && levels > 1 && !fresh && !dx_hbtp_p_take(&t, ',')) return false;
        if (!closes && levels > 1 && (levels & 1)) {
            int kind;
            (void)dx_hbtp_p_peek(&t);
            if (levels == 3) name.p = t.p + 1;
            kind = dx_hbtp_p_json_string(&t);
            if (levels == 3) name.end = t.p - 1;
            if (!kind || (levels == 3 && kind == 2) || !dx_hbtp_p_take(&t, ':')) return false;
        }
        c = dx_hbtp_p_peek(&t);
        if (!closes && levels == 3) value.p = t.p;
        fresh = !closes && (c == '{' || c == '[');
        if (closes || fresh) t.p++;
        else if (!dx_hbtp_p_json_scalar(&t)) return false;
        if (fresh && levels >> 31) return false;
        levels = closes ? levels >> 1 : fresh ? levels << 1 | (c == '{') : levels;
        value.end = t.p;
        if (!fresh && levels == 3 && !dx_hbtp_p_json_note(&name, &value, names, count, found))
            return false;
    } while (levels > 1);
    return !dx_hbtp_p_peek(&t) && t.p == t.end;
}

/* >>jwt: tokens -------------------------------------------------------- */
/* base64url (RFC 4648, 5), strict: no padding, unused bits zero. The bytes written; SIZE_MAX: bad. */
static size_t dx_hbtp_p_base64url(const char *in, size_t size, char *out)
{
    static const uint8_t values[128] = { /* 64: none */
        64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
        64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
        64, 62, 64, 64, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
        23, 24, 25, 64, 64, 64, 64, 63, 64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
        39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64};
    const uint8_t *p = (const uint8_t *)in, *const end = p + size;
    uint32_t group = 0, bits = 0, bad = size % 4 == 1 ? 64 : 0;
    char *const begin = out;
    for (; end - p >= 4; p += 4) {
        const uint32_t a = values[p[0] & 127], b = values[p[1] & 127];
        const uint32_t c = values[p[2] & 127], d = values[p[3] & 127];
        bad |= a | b | c | d | ((p[0] | p[1] | p[2] | p[3]) & 128u);
        group = a << 18 | b << 12 | c << 6 | d;
        *out++ = (char)(group >> 16 & 0xff);
        *out++ = (char)(group >> 8 & 0xff);
        *out++ = (char)(group & 0xff);
    }
    for (group = 0; p < end; p++) {
        bad |= values[*p & 127] | (*p & 128u);
        group = group << 6 | values[*p & 127];
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        *out++ = (char)(group >> bits & 0xff);
    }
    if (bad & ~63u || (group & ((1u << bits) - 1))) return SIZE_MAX;
    return (size_t)(out - begin);
}

/* Is this JSON string the text? Only "/" may be escaped, as some writers do. */
static bool dx_hbtp_p_says(const struct dx_hbtp_p_text *t, const char *text)
{
    const char *p = t->p;
    if (!p || t->end - p < 2 || *p != '"') return false;
    for (p++; p < t->end - 1; p++, text++) {
        if (*p == '\\' && p[1] == '/') p++;
        if (!*text || *p != *text) return false;
    }
    return !*text;
}

/* One string, or an array with such a string in it. It was checked before. */
static bool dx_hbtp_p_is_among(const struct dx_hbtp_p_text *value, const char *text)
{
    struct dx_hbtp_p_text t = *value, one;
    int level = 0;
    if (!t.p || *t.p != '[') return dx_hbtp_p_says(value, text);
    while (t.p < t.end) {
        one.p = t.p;
        level += (*t.p == '[' || *t.p == '{') - (*t.p == ']' || *t.p == '}');
        if (*t.p != '"' || !dx_hbtp_p_json_string(&t)) t.p++;
        one.end = t.p;
        if (level == 1 && dx_hbtp_p_says(&one, text)) return true;
    }
    return false;
}

/* A NumericDate: a whole number from 0 to 2^53. */
static bool dx_hbtp_p_date(const struct dx_hbtp_p_text *t, uint64_t *date, uint64_t none)
{
    const char *p = t->p;
    *date = p ? 0 : none;
    if (!p) return true;
    for (; p < t->end; p++) {
        if (p - t->p == 16 || *p < '0' || *p > '9') return false;
        *date = *date * 10 + (uint64_t)(*p - '0');
    }
    return *date <= (uint64_t)1 << 53;
}

/* Decode a part of a token into jwt->memory and find members of the object that it must be. */
static int dx_hbtp_p_jwt_part(const dx_hbtp_jwt *jwt, const char *part, size_t *size,
                              const char *const *names, unsigned count, struct dx_hbtp_p_text *m)
{
    if (*size / 4 * 3 + 2 > jwt->memory_size) return DX_HBTP_ETOOBIG;
    *size = dx_hbtp_p_base64url(part, *size, jwt->memory);
    if (*size == SIZE_MAX || !dx_hbtp_p_json_members(jwt->memory, *size, names, count, m))
        return DX_HBTP_ECORRUPT;
    return DX_HBTP_OK;
}

static int dx_hbtp_p_jwt_claims(const dx_hbtp_jwt *jwt, const char *part, size_t size,
                                uint64_t now_s, dx_hbtp_jwt_claims *claims)
{
    static const char *const names[] = {"exp", "nbf", "iat", "iss", "aud"};
    struct dx_hbtp_p_text m[5];
    uint64_t issued;
    const int error = dx_hbtp_p_jwt_part(jwt, part, &size, names, 5, m);
    claims->json = jwt->memory;
    claims->size = size;
    if (error) return error;
    if (!dx_hbtp_p_date(&m[0], &claims->exp, UINT64_MAX) ||
        !dx_hbtp_p_date(&m[1], &claims->nbf, 0) || !dx_hbtp_p_date(&m[2], &issued, 0))
        return DX_HBTP_ECORRUPT;
    if (!m[0].p && !jwt->no_exp) return DX_HBTP_EEXPIRED;
    if (now_s >= claims->exp && now_s - claims->exp >= jwt->leeway_s) return DX_HBTP_EEXPIRED;
    if (now_s < claims->nbf && claims->nbf - now_s > jwt->leeway_s) return DX_HBTP_EEARLY;
    if ((jwt->issuer && !dx_hbtp_p_says(&m[3], jwt->issuer)) ||
        (jwt->audience && !dx_hbtp_p_is_among(&m[4], jwt->audience)))
        return DX_HBTP_EAUDIENCE;
    return DX_HBTP_OK;
}

DX_HBTP_API int dx_hbtp_jwt_verify(const dx_hbtp_jwt *jwt, const char *token, size_t size,
                                   uint64_t now_s, dx_hbtp_jwt_claims *claims)
{
    static const char *const names[] = {"alg", "crit", "kid"};
    struct dx_hbtp_p_text m[3];
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
    i = dot;
    error = dx_hbtp_p_jwt_part(jwt, token, &i, names, 3, m);
    if (error) return error;
    if (!dx_hbtp_p_says(&m[0], "HS256") || m[1].p) return DX_HBTP_ENOTSUP;
    if (jwt->key_id && !dx_hbtp_p_says(&m[2], jwt->key_id)) return DX_HBTP_ENOTFOUND;
    return dx_hbtp_p_jwt_claims(jwt, token + dot + 1, end - dot - 1, now_s, claims);
}

DX_HBTP_API int dx_hbtp_jwt_claim(const dx_hbtp_jwt_claims *claims, const char *name,
                                  const char **value, size_t *size)
{
    struct dx_hbtp_p_text m;
    if (!claims || !name || !value || !size) return DX_HBTP_EINVAL;
    if (!dx_hbtp_p_json_members(claims->json, claims->size, &name, 1, &m)) return DX_HBTP_ECORRUPT;
    if (!m.p) return DX_HBTP_ENOTFOUND;
    *value = m.p;
    *size = (size_t)(m.end - m.p);
    return DX_HBTP_OK;
}
#endif
