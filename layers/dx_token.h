/*  dx_token.h - v0.3.0 - JSON Web Tokens signed with HS256, and nothing else
               - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_TOKEN_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_token.h"

    and include it elsewhere without the define. C99; also builds as C++11. It stands on
    dx_sha256.h, which it includes unless it was included before; with the first of the two defines,
    define its own too. Its strict reader of JSON objects can also be used for other messages that
    all parties must parse in the same way.

    QUICK EXAMPLE

        static const char secret[] = "at least thirty-two bytes, and secret";
        const char *sent = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjJ9."
                           "not-the-signature-of-anybody-with-the-key-0";
        static char memory[512];              // three quarters of the longest token
        dx_token_key key;
        if (dx_token_key_init(&key, secret, sizeof secret - 1)) return 1;

        dx_token_rules rules;
        memset(&rules, 0, sizeof rules);      // the requirements for a token
        dx_token_claims claims;
        rules.hmac = dx_token_hmac;
        rules.hmac_user = &key;
        rules.memory = memory;
        rules.memory_size = sizeof memory;
        rules.issuer = "https://login.example";
        int error = dx_token_verify(&rules, sent, strlen(sent), 1700000000, &claims);
        printf("%s: status %d\n", dx_token_error_name(error), dx_token_status_of_error(error));

    CONTENTS (search >>)  config  errors  key  json  token  platform  names  scalars  walk  values
                          base64url  signature  claims  license

    GUARANTEES  The algorithm is pinned: the token's "alg" can only get it refused. The signature is
                compared in constant time before anything else of the token is read. One text has
                one meaning: strict base64url and strict JSON. All of an object is checked by RFC
                8259, also members that nobody asked for; a duplicate of a requested name is
                refused, and so are escapes in names, which could hide one, if any was requested. No
                allocation, globals or recursion. JSON is read in one pass, O(size * names), and no
                tree is built.
    LIMITS      Keys of 32 bytes and more. JSON: 31 levels of arrays and objects; numbers are
                checked as text, and only those from 0 to 2^53 are converted; strings are not
                checked to be UTF-8. Verify a token once a connection, not once a frame.
    SIZE        code: x86-64 4,751, Cortex-M0 3,213; objects: dx_token_rules 64, dx_token_key 144,
                dx_token_claims 32
    THREADS     One at a time for each dx_token_rules, because it holds the memory; a key may be
                shared.
    CONFIG      DX_TOKEN_STATIC, DX_TOKEN_API, DX_TOKEN_ASSERT(c), DX_TOKEN_MEMSET
    ERRORS      dx_token_error: 0 = ok, negative = reason; dx_token_status_of_error(): 401 ...
    OWNERSHIP   The caller owns every byte. Claims are in the memory of the rules; results from JSON
                point into its text.
    FORMAT      RFC 7515, 7519 and 8259; HMAC-SHA-256: RFC 2104
*/
#ifndef DX_TOKEN_H
#define DX_TOKEN_H

#define DX_TOKEN_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_SHA256_H
  #include "dx_sha256.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_TOKEN_API
  #ifdef DX_TOKEN_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_TOKEN_API static __attribute__((unused))
    #else
      #define DX_TOKEN_API static
    #endif
  #else
    #define DX_TOKEN_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
/* value, constant, the status to send back, as in HTTP and HBTP. */
#define DX_TOKEN_ERRORS(X)                                                                \
    X(0, OK, 500)                                                                         \
    X(-1, EINVAL, 400)      /* an argument breaks its documented contract */              \
    X(-4, ETOOBIG, 413)     /* longer than the memory allows */                           \
    X(-5, ECORRUPT, 400)    /* not three parts of strict base64url with strict JSON */    \
    X(-7, ESYS, 500)        /* the hmac hook failed */                                    \
    X(-8, ENOTSUP, 415)     /* another "alg", or "crit" */                                \
    X(-9, ENOTFOUND, 404)   /* another "kid"; no such claim */                            \
    X(-42, ESIGNATURE, 401) /* not signed with this key */                                \
    X(-43, EEXPIRED, 401)   /* it has expired */                                          \
    X(-44, EEARLY, 401)     /* it is not valid yet */                                     \
    X(-45, EAUDIENCE, 401)  /* for another audience */                                    \
    X(-46, EISSUER, 401)    /* from another issuer */

typedef enum dx_token_error {
#define DX_TOKEN_P_ERROR_IS(value, constant, status) DX_TOKEN_##constant = value,
    DX_TOKEN_ERRORS(DX_TOKEN_P_ERROR_IS)
    DX_TOKEN_KEY_SIZE_MIN = 32,   /* bytes; a shorter key is easier to guess than the hash */
    DX_TOKEN_JSON_LEVELS_MAX = 31 /* max nesting of arrays and objects */
} dx_token_error;

/* "DX_TOKEN_EEXPIRED" and so on; "unknown error" for anything else. */
DX_TOKEN_API const char *dx_token_error_name(int error);
/* The status of an error, see DX_TOKEN_ERRORS; 500 for anything else. */
DX_TOKEN_API int         dx_token_status_of_error(int error);

/* >>key ---------------------------------------------------------------- */
/* HMAC-SHA-256 (RFC 2104) of a message; not 0: it failed. `user` identifies the key. A hook, so
   that the key may stay in another library or a hardware device. */
typedef int dx_token_hmac_fn(void *user, const void *message, size_t size, uint8_t mac[32]);

typedef struct dx_token_key { /* the hash state after the key's block; private */
    dx_sha256 keyed_;
} dx_token_key;

/* The bytes of the key are not kept. EINVAL: under 32 bytes. */
DX_TOKEN_API int dx_token_key_init(dx_token_key *prepared, const void *key, size_t size);
/* The hmac of dx_sha256.h, a dx_token_hmac_fn; user: a dx_token_key, which it does not modify. */
DX_TOKEN_API int dx_token_hmac(void *user, const void *message, size_t size, uint8_t mac[32]);

/* >>json --------------------------------------------------------------- */
/* For messages that all parties must parse in the same way: a token's claims, or others. */
typedef struct dx_token_json_text { /* a value as written in JSON, strings with their quotes */
    const char *begin; /* NULL: missing */
    const char *end;   /* after its last character */
} dx_token_json_text;

/* Check a whole object and find the members with these names at its top level: found[i] is the
   value of names[i]. EINVAL; ECORRUPT. */
DX_TOKEN_API int  dx_token_json_find_members(const char *json, size_t size,
                                             const char *const *names, size_t count,
                                             dx_token_json_text *found);
/* Is the value this string? The only supported escape is that of "/", which some writers produce; a
   string with another escape equals nothing. The value as it was found. */
DX_TOKEN_API bool dx_token_json_equals(const dx_token_json_text *value, const char *text);
/* Is the value this string, or an array that contains it? */
DX_TOKEN_API bool dx_token_json_contains(const dx_token_json_text *value, const char *text);
/* An integer from 0 to 2^53, digits only. EINVAL: the value is missing; ECORRUPT: not such a
   number. */
DX_TOKEN_API int  dx_token_json_read_integer(const dx_token_json_text *value, uint64_t *number);

/* >>token -------------------------------------------------------------- */
typedef struct dx_token_rules {   /* requirements for a token; set the fields, zero the rest */
    dx_token_hmac_fn *hmac;       /* required */
    void             *hmac_user;
    char             *memory;     /* required; for decoded text, 3/4 of a token's size */
    size_t            memory_size;
    const char       *key_id;     /* "kid"; NULL: any */
    const char       *issuer;     /* "iss"; NULL: any */
    const char       *audience;   /* one of "aud"; NULL: any */
    uint32_t          leeway_s;   /* allowed clock skew */
    bool              allow_endless; /* true: "exp" may be missing */
} dx_token_rules;

typedef struct dx_token_claims { /* in the memory of the rules until the next token */
    const char *json;
    size_t      size;
    uint64_t    expires_s;    /* "exp", seconds since 1970; UINT64_MAX: none */
    uint64_t    not_before_s; /* "nbf"; 0: none */
} dx_token_claims;

/* The signature is compared, in constant time, before anything is parsed. ECORRUPT: not three parts
   of strict base64url, not JSON, a date that is not an integer up to 2^53, or a duplicate of a name
   that is used here; ETOOBIG; ESIGNATURE; ENOTSUP: another "alg", or "crit"; ENOTFOUND: another
   key_id; EEXPIRED (also: no "exp"), EEARLY, EISSUER, EAUDIENCE; ESYS: hmac failed; EINVAL. */
DX_TOKEN_API int dx_token_verify(const dx_token_rules *rules, const char *token, size_t size,
                                 uint64_t now_s, dx_token_claims *claims);
/* A claim's value as written in the JSON, strings with quotes, as begin and end of a
   dx_token_json_text. ENOTFOUND; ECORRUPT: a duplicate. */
DX_TOKEN_API int dx_token_find_claim(const dx_token_claims *claims, const char *name,
                                     const char **value, size_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_TOKEN_H */

#if (defined(DX_TOKEN_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_TOKEN_IMPLEMENTED)
#define DX_TOKEN_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_TOKEN_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_TOKEN_ASSERT(c) assert(c)
  #else
    #define DX_TOKEN_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_TOKEN_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_TOKEN_P_MEM(name) name
#endif
#ifndef DX_TOKEN_MEMSET
  #define DX_TOKEN_MEMSET DX_TOKEN_P_MEM(memset)
#endif

/* >>names -------------------------------------------------------------- */
#define DX_TOKEN_P_ERROR_NAME(value, constant, status) \
    case value: return "DX_TOKEN_" #constant;
#define DX_TOKEN_P_ERROR_STATUS(value, constant, status) \
    case value: return status;

DX_TOKEN_API const char *dx_token_error_name(int error)
{
    switch (error) {
        DX_TOKEN_ERRORS(DX_TOKEN_P_ERROR_NAME)
    default: return "unknown error";
    }
}

DX_TOKEN_API int dx_token_status_of_error(int error)
{
    switch (error) {
        DX_TOKEN_ERRORS(DX_TOKEN_P_ERROR_STATUS)
    default: return 500;
    }
}

/* >>scalars -------------------------------------------------------------
   The JSON reader. Every function takes the rest of the text, and advances its begin past the
   bytes that it has read:

       { "name" : 12.5e3 , ...
                  ^begin       end^        number: begin moves to the comma

   The end of the text reads as a zero byte, which no rule accepts, so loops need no second check
   for the end. */
static char dx_token_p_at(const dx_token_json_text *t)
{
    DX_TOKEN_ASSERT(t->begin <= t->end);
    return t->begin < t->end ? *t->begin : '\0';
}

static bool dx_token_p_is_digit(char c) { return c >= '0' && c <= '9'; }

static bool dx_token_p_is_hex(char c)
{
    return dx_token_p_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The next character after white space; 0: the end. */
static char dx_token_p_peek(dx_token_json_text *t)
{
    for (; t->begin < t->end; t->begin++) {
        const char c = *t->begin;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
    }
    return '\0';
}

static bool dx_token_p_skip(dx_token_json_text *t, char c)
{
    if (dx_token_p_peek(t) != c) return false;
    t->begin++;
    return true;
}

/* The part of an escape after the backslash. */
static bool dx_token_p_read_escape(dx_token_json_text *t)
{
    const char c = dx_token_p_at(t);
    const char *known = "\"\\/bfnrt";
    unsigned digits;
    if (c == 'u') {
        t->begin++;
        for (digits = 0; digits < 4; digits++, t->begin++)
            if (!dx_token_p_is_hex(dx_token_p_at(t))) return false;
        return true;
    }
    while (*known && *known != c) known++;
    if (!*known) return false;
    t->begin++;
    return true;
}

typedef enum dx_token_p_string {
    DX_TOKEN_P_NO_STRING,
    DX_TOKEN_P_PLAIN,
    DX_TOKEN_P_ESCAPED /* contains a backslash */
} dx_token_p_string;

static dx_token_p_string dx_token_p_read_string(dx_token_json_text *t)
{
    dx_token_p_string kind = DX_TOKEN_P_PLAIN;
    DX_TOKEN_ASSERT(t->begin <= t->end);
    if (!dx_token_p_skip(t, '"')) return DX_TOKEN_P_NO_STRING;
    for (;;) {
        const char *p = t->begin;
        while (p < t->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
        t->begin = p;
        if (p == t->end || (unsigned char)*p < 0x20) return DX_TOKEN_P_NO_STRING;
        t->begin++;
        if (*p == '"') return kind;
        if (!dx_token_p_read_escape(t)) return DX_TOKEN_P_NO_STRING;
        kind = DX_TOKEN_P_ESCAPED;
    }
}

/* At least one digit. */
static bool dx_token_p_read_digits(dx_token_json_text *t)
{
    const char *const first = t->begin;
    while (dx_token_p_is_digit(dx_token_p_at(t))) t->begin++;
    return t->begin > first;
}

/* An integer part without leading zeros, an optional fraction, an optional exponent. */
static bool dx_token_p_read_number(dx_token_json_text *t)
{
    const char *first;
    if (dx_token_p_at(t) == '-') t->begin++;
    first = t->begin;
    if (!dx_token_p_read_digits(t) || (*first == '0' && t->begin - first > 1)) return false;
    if (dx_token_p_at(t) == '.') {
        t->begin++;
        if (!dx_token_p_read_digits(t)) return false;
    }
    if (dx_token_p_at(t) == 'e' || dx_token_p_at(t) == 'E') {
        t->begin++;
        if (dx_token_p_at(t) == '+' || dx_token_p_at(t) == '-') t->begin++;
        if (!dx_token_p_read_digits(t)) return false;
    }
    return true;
}

static bool dx_token_p_read_word(dx_token_json_text *t, const char *word)
{
    while (*word && *word == dx_token_p_at(t)) {
        word++;
        t->begin++;
    }
    return !*word;
}

static bool dx_token_p_read_scalar(dx_token_json_text *t)
{
    switch (dx_token_p_peek(t)) {
    case '"': return dx_token_p_read_string(t) != DX_TOKEN_P_NO_STRING;
    case 't': return dx_token_p_read_word(t, "true");
    case 'f': return dx_token_p_read_word(t, "false");
    case 'n': return dx_token_p_read_word(t, "null");
    default: return dx_token_p_read_number(t);
    }
}

/* >>walk ----------------------------------------------------------------
   One loop walks the whole text. Instead of a recursive reader's stack there is one bit for each
   level, 1 for an object and 0 for an array, below a highest bit that only marks the depth:

       1                outside: before the object, or after it
       1 1              in the outermost object: its members can be requested
       1 1 0            in an array in it
       1 1 0 1          in an object in that array

   Each step reads the end of a container; or, after a comma (and in an object after a name), the
   beginning of a container or a scalar. */
enum {
    DX_TOKEN_P_OUTSIDE   = 1,
    DX_TOKEN_P_OUTERMOST = 3
};

struct dx_token_p_walk {
    dx_token_json_text rest;  /* not read yet */
    dx_token_json_text name;  /* of the last member of the outermost object, without quotes */
    dx_token_json_text value; /* of that member */
    uint32_t     levels;
    bool         fresh; /* a container has just begun: no comma yet */
    bool         any_name; /* no member was asked for: names may have escapes */
};

static bool dx_token_p_read_name(struct dx_token_p_walk *w)
{
    dx_token_p_string kind;
    const char *begin;
    (void)dx_token_p_peek(&w->rest);
    begin = w->rest.begin;
    kind = dx_token_p_read_string(&w->rest);
    if (kind == DX_TOKEN_P_NO_STRING) return false;
    if (w->levels == DX_TOKEN_P_OUTERMOST) {
        if (kind == DX_TOKEN_P_ESCAPED && !w->any_name) return false;
        DX_TOKEN_ASSERT(w->rest.begin - begin >= 2);
        w->name.begin = begin + 1;
        w->name.end = w->rest.begin - 1;
    }
    return dx_token_p_skip(&w->rest, ':');
}

/* One step. False: not JSON, or too deep. */
static bool dx_token_p_step(struct dx_token_p_walk *w)
{
    const bool inside = w->levels > DX_TOKEN_P_OUTSIDE;
    const bool in_object = inside && (w->levels & 1);
    const char next = dx_token_p_peek(&w->rest);
    char c;
    DX_TOKEN_ASSERT(w->levels >= DX_TOKEN_P_OUTSIDE);
    if (inside && next == (in_object ? '}' : ']')) {
        w->rest.begin++;
        w->levels >>= 1;
        DX_TOKEN_ASSERT(w->levels >= DX_TOKEN_P_OUTSIDE);
        w->fresh = false;
        w->value.end = w->rest.begin;
        return true;
    }
    if (inside && !w->fresh && !dx_token_p_skip(&w->rest, ',')) return false;
    if (in_object && !dx_token_p_read_name(w)) return false;
    c = dx_token_p_peek(&w->rest);
    if (w->levels == DX_TOKEN_P_OUTERMOST) w->value.begin = w->rest.begin;
    w->fresh = c == '{' || c == '[';
    if (w->fresh) {
        if (w->levels >> DX_TOKEN_JSON_LEVELS_MAX) return false;
        w->rest.begin++;
        w->levels = w->levels << 1 | (c == '{');
        return true;
    }
    if (!dx_token_p_read_scalar(&w->rest)) return false;
    w->value.end = w->rest.begin;
    return true;
}

/* Keep a member if its name is one of these. False: a duplicate. */
static bool dx_token_p_keep(const struct dx_token_p_walk *w, const char *const *names, size_t count,
                           dx_token_json_text *found)
{
    const size_t size = (size_t)(w->name.end - w->name.begin);
    size_t i;
    DX_TOKEN_ASSERT(w->name.begin <= w->name.end && w->value.begin < w->value.end);
    for (i = 0; i < count; i++) {
        const char *const name = names[i];
        size_t n = 0;
        while (n < size && name[n] && name[n] == w->name.begin[n]) n++;
        if (n < size || name[n]) continue;
        if (found[i].begin) return false;
        found[i] = w->value;
    }
    return true;
}

DX_TOKEN_API int dx_token_json_find_members(const char *json, size_t size,
                                            const char *const *names, size_t count,
                                            dx_token_json_text *found)
{
    struct dx_token_p_walk w;
    if ((!json && size) || ((!names || !found) && count)) return DX_TOKEN_EINVAL;
    if (count) DX_TOKEN_MEMSET(found, 0, count * sizeof *found);
    if (!size) return DX_TOKEN_ECORRUPT;
    DX_TOKEN_MEMSET(&w, 0, sizeof w);
    w.rest.begin = json;
    w.rest.end = json + size;
    w.levels = DX_TOKEN_P_OUTSIDE;
    w.any_name = !count;
    if (dx_token_p_peek(&w.rest) != '{') return DX_TOKEN_ECORRUPT;
    do {
        if (!dx_token_p_step(&w)) return DX_TOKEN_ECORRUPT;
        /* A member is complete after a scalar, and after the end of a container. */
        if (w.fresh || w.levels != DX_TOKEN_P_OUTERMOST) continue;
        if (!dx_token_p_keep(&w, names, count, found)) return DX_TOKEN_ECORRUPT;
    } while (w.levels > DX_TOKEN_P_OUTSIDE);
    DX_TOKEN_ASSERT(w.levels == DX_TOKEN_P_OUTSIDE && w.rest.begin <= w.rest.end);
    (void)dx_token_p_peek(&w.rest);
    return w.rest.begin == w.rest.end ? DX_TOKEN_OK : DX_TOKEN_ECORRUPT;
}

/* >>values --------------------------------------------------------------
   Values are compared in place, so that no memory is needed for decoded ones. That is why only one
   escape is supported: a string with another escape, compared as written, could equal a text that
   it does not mean. */
DX_TOKEN_API bool dx_token_json_equals(const dx_token_json_text *value, const char *text)
{
    const char *p = value->begin;
    const char *quote;
    if (!p || value->end - p < 2 || *p != '"') return false;
    quote = value->end - 1;
    for (p++; p < quote; p++, text++) {
        if (*p == '\\') {
            p++;
            if (*p != '/') return false;
        }
        if (!*text || *p != *text) return false;
    }
    return !*text;
}

DX_TOKEN_API bool dx_token_json_contains(const dx_token_json_text *value, const char *text)
{
    dx_token_json_text rest = *value;
    int level = 0; /* 1: directly in the array */
    if (!rest.begin || *rest.begin != '[') return dx_token_json_equals(value, text);
    while (rest.begin < rest.end) {
        dx_token_json_text one = rest;
        const char c = *rest.begin;
        if (c == '[' || c == '{') level++;
        if (c == ']' || c == '}') level--;
        if (c != '"' || dx_token_p_read_string(&rest) == DX_TOKEN_P_NO_STRING) rest.begin++;
        one.end = rest.begin;
        DX_TOKEN_ASSERT(one.begin < one.end && one.end <= value->end);
        if (level == 1 && dx_token_json_equals(&one, text)) return true;
    }
    return false;
}

DX_TOKEN_API int dx_token_json_read_integer(const dx_token_json_text *value, uint64_t *number)
{
    const uint64_t number_max = (uint64_t)1 << 53; /* exact in a double */
    const char *p;
    uint64_t n = 0;
    if (!value || !value->begin || !number) return DX_TOKEN_EINVAL;
    for (p = value->begin; p < value->end; p++) {
        if (!dx_token_p_is_digit(*p)) return DX_TOKEN_ECORRUPT;
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > number_max) return DX_TOKEN_ECORRUPT;
    }
    *number = n;
    return DX_TOKEN_OK;
}

/* >>base64url -----------------------------------------------------------
   RFC 4648, 5, strictly: no padding, no white space, and the unused bits of the last character are
   0, so that no two texts mean the same bytes.

       | aaaaaa | bbbbbb | cccccc | dddddd |      four characters of six bits
       | aaaaaabb | bbbbcccc | ccdddddd    |      three bytes

   Invalid characters (bytes from 128 on and those with 64 in the table) are accumulated in `bad`
   and checked once, at the end. So no branch depends on the text. */
enum {
    DX_TOKEN_P_MAC_SIZE  = 32,
    DX_TOKEN_P_MAC_CHARS = 43 /* 32 bytes in base64url */
};

static const uint8_t dx_token_p_sextets[128] = { /* of each character; 64: none */
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 62, 64, 64, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 64, 64, 64, 64, 63, 64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
    39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64};

/* Returns the bytes written to `out`; SIZE_MAX: not strict base64url. */
static size_t dx_token_p_decode(const char *in, size_t size, char *out)
{
    const uint8_t *const values = dx_token_p_sextets;
    const uint8_t *p = (const uint8_t *)in;
    const uint8_t *const end = p + size;
    char *const begin = out;
    uint32_t bad = size % 4 == 1 ? 64 : 0;
    uint32_t group;    /* bits read */
    uint32_t bits = 0; /* those not yet written as bytes */
    for (; end - p >= 4; p += 4) {
        const uint32_t a = values[p[0] & 127];
        const uint32_t b = values[p[1] & 127];
        const uint32_t c = values[p[2] & 127];
        const uint32_t d = values[p[3] & 127];
        bad |= a | b | c | d | ((p[0] | p[1] | p[2] | p[3]) & 128u);
        group = a << 18 | b << 12 | c << 6 | d;
        *out++ = (char)(group >> 16 & 0xff);
        *out++ = (char)(group >> 8 & 0xff);
        *out++ = (char)(group & 0xff);
    }
    group = 0;
    for (; p < end; p++) {
        bad |= values[*p & 127] | (*p & 128u);
        group = group << 6 | values[*p & 127];
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        *out++ = (char)(group >> bits & 0xff);
    }
    DX_TOKEN_ASSERT(bits < 8 && (size_t)(out - begin) <= size);
    if ((bad & ~63u) || (group & ((1u << bits) - 1))) return SIZE_MAX;
    return (size_t)(out - begin);
}

/* >>signature -----------------------------------------------------------
       eyJhbGciOiJIUzI1NiJ9 . eyJleHAiOjJ9 . 43 characters
       | header             |   claims     |   mac         |
       |<------------ signed ------------->|
                            ^ dot          ^ signed_size

   The last dot is found from the end, where the signature has a fixed size, so the first check of a
   token is whether a holder of the key has written it. */
DX_TOKEN_API int dx_token_key_init(dx_token_key *prepared, const void *key, size_t size)
{
    if (!prepared || !key || size < DX_TOKEN_KEY_SIZE_MIN) return DX_TOKEN_EINVAL;
    dx_sha256_init_keyed(&prepared->keyed_, key, size);
    return DX_TOKEN_OK;
}

DX_TOKEN_API int dx_token_hmac(void *user, const void *message, size_t size, uint8_t mac[32])
{
    const dx_token_key *key = (const dx_token_key *)user;
    dx_sha256 hash;
    if (!key || (!message && size) || !mac) return DX_TOKEN_EINVAL;
    hash = key->keyed_;
    dx_sha256_update(&hash, message, size);
    dx_sha256_final(&hash, mac, DX_TOKEN_P_MAC_SIZE);
    return DX_TOKEN_OK;
}

/* Are these bytes signed with the key? `sent`: the third part of the token. */
static int dx_token_p_check_signature(const dx_token_rules *rules, const char *token,
                                      size_t signed_size, const char *sent)
{
    uint8_t sent_mac[DX_TOKEN_P_MAC_SIZE + 1]; /* 43 characters are 32 bytes and 2 bits */
    uint8_t mac[DX_TOKEN_P_MAC_SIZE];
    const size_t size = dx_token_p_decode(sent, DX_TOKEN_P_MAC_CHARS, (char *)sent_mac);
    if (size == SIZE_MAX) return DX_TOKEN_ECORRUPT;
    DX_TOKEN_ASSERT(size == DX_TOKEN_P_MAC_SIZE);
    if (rules->hmac(rules->hmac_user, token, signed_size, mac)) return DX_TOKEN_ESYS;
    return dx_sha256_equal(mac, sent_mac, sizeof mac) ? DX_TOKEN_OK : DX_TOKEN_ESIGNATURE;
}

/* >>claims --------------------------------------------------------------
   Header and claims are decoded one after the other into the same memory: the header is not needed
   after its check. */

/* Decode a part of a token and find members of the object in it. *size: of the part, then of the
   decoded text. */
static int dx_token_p_read_part(const dx_token_rules *rules, const char *part, size_t *size,
                                const char *const *names, size_t count, dx_token_json_text *found)
{
    if (*size / 4 * 3 + 2 > rules->memory_size) return DX_TOKEN_ETOOBIG;
    *size = dx_token_p_decode(part, *size, rules->memory);
    if (*size == SIZE_MAX) return DX_TOKEN_ECORRUPT;
    DX_TOKEN_ASSERT(*size <= rules->memory_size);
    if (dx_token_json_find_members(rules->memory, *size, names, count, found))
        return DX_TOKEN_ECORRUPT;
    return DX_TOKEN_OK;
}

static int dx_token_p_check_header(const dx_token_rules *rules, const char *part, size_t size)
{
    enum { DX_TOKEN_P_ALG, DX_TOKEN_P_CRIT, DX_TOKEN_P_KID, DX_TOKEN_P_HEADER_NAMES };
    static const char *const names[DX_TOKEN_P_HEADER_NAMES] = {"alg", "crit", "kid"};
    dx_token_json_text found[DX_TOKEN_P_HEADER_NAMES];
    const int error =
        dx_token_p_read_part(rules, part, &size, names, DX_TOKEN_P_HEADER_NAMES, found);
    if (error) return error;
    /* "crit" names extensions that a reader must support; this one supports no extension. */
    if (!dx_token_json_equals(&found[DX_TOKEN_P_ALG], "HS256") || found[DX_TOKEN_P_CRIT].begin)
        return DX_TOKEN_ENOTSUP;
    if (rules->key_id && !dx_token_json_equals(&found[DX_TOKEN_P_KID], rules->key_id))
        return DX_TOKEN_ENOTFOUND;
    return DX_TOKEN_OK;
}

/* A NumericDate, or `none` if there is no such claim. A fraction (RFC 7519, section 2) is cut off,
   or rounded up: the token is valid for a little less time, never for more. */
static bool dx_token_p_read_date(const dx_token_json_text *value, uint64_t none, bool up,
                                 uint64_t *date)
{
    dx_token_json_text whole = *value;
    const char *p;
    bool more = false;
    *date = none;
    if (!value->begin) return true;
    for (p = value->begin; p < value->end && *p != '.'; p++) {}
    whole.end = p;
    if (p < value->end) p++;
    for (; p < value->end; p++) {
        if (!dx_token_p_is_digit(*p)) return false;
        if (*p != '0') more = true;
    }
    if (dx_token_json_read_integer(&whole, date)) return false;
    if (more && up) ++*date;
    return true;
}

static int dx_token_p_check_claims(const dx_token_rules *rules, const char *part, size_t size,
                                   uint64_t now_s, dx_token_claims *claims)
{
    enum {
        DX_TOKEN_P_EXP,
        DX_TOKEN_P_NBF,
        DX_TOKEN_P_IAT,
        DX_TOKEN_P_ISS,
        DX_TOKEN_P_AUD,
        DX_TOKEN_P_CLAIM_NAMES
    };
    static const char *const names[DX_TOKEN_P_CLAIM_NAMES] = {"exp", "nbf", "iat", "iss", "aud"};
    dx_token_json_text found[DX_TOKEN_P_CLAIM_NAMES];
    uint64_t issued; /* checked, but not used */
    const int error =
        dx_token_p_read_part(rules, part, &size, names, DX_TOKEN_P_CLAIM_NAMES, found);
    claims->json = rules->memory;
    claims->size = size;
    if (error) return error;
    DX_TOKEN_ASSERT(claims->size <= rules->memory_size);
    if (!dx_token_p_read_date(&found[DX_TOKEN_P_EXP], UINT64_MAX, false, &claims->expires_s) ||
        !dx_token_p_read_date(&found[DX_TOKEN_P_NBF], 0, true, &claims->not_before_s) ||
        !dx_token_p_read_date(&found[DX_TOKEN_P_IAT], 0, false, &issued))
        return DX_TOKEN_ECORRUPT;
    if (!found[DX_TOKEN_P_EXP].begin && !rules->allow_endless) return DX_TOKEN_EEXPIRED;
    if (now_s >= claims->expires_s && now_s - claims->expires_s >= rules->leeway_s)
        return DX_TOKEN_EEXPIRED;
    if (now_s < claims->not_before_s && claims->not_before_s - now_s > rules->leeway_s)
        return DX_TOKEN_EEARLY;
    if (rules->issuer && !dx_token_json_equals(&found[DX_TOKEN_P_ISS], rules->issuer))
        return DX_TOKEN_EISSUER;
    if (rules->audience && !dx_token_json_contains(&found[DX_TOKEN_P_AUD], rules->audience))
        return DX_TOKEN_EAUDIENCE;
    return DX_TOKEN_OK;
}

DX_TOKEN_API int dx_token_verify(const dx_token_rules *rules, const char *token, size_t size,
                                 uint64_t now_s, dx_token_claims *claims)
{
    size_t signed_size;
    size_t dot = 0;
    int error;
    if (!rules || !rules->hmac || !rules->memory || !token || !claims) return DX_TOKEN_EINVAL;
    if (size / 4 > rules->memory_size) return DX_TOKEN_ETOOBIG;
    if (size < DX_TOKEN_P_MAC_CHARS + 3) return DX_TOKEN_ECORRUPT;
    signed_size = size - DX_TOKEN_P_MAC_CHARS - 1;
    while (dot < signed_size && token[dot] != '.') dot++;
    /* A third dot is not a character of base64url, and is refused with its part. */
    if (dot == signed_size || token[signed_size] != '.') return DX_TOKEN_ECORRUPT;
    DX_TOKEN_ASSERT(dot < signed_size && signed_size + 1 + DX_TOKEN_P_MAC_CHARS == size);
    error = dx_token_p_check_signature(rules, token, signed_size, token + signed_size + 1);
    if (!error) error = dx_token_p_check_header(rules, token, dot);
    if (error) return error;
    return dx_token_p_check_claims(rules, token + dot + 1, signed_size - dot - 1, now_s, claims);
}

DX_TOKEN_API int dx_token_find_claim(const dx_token_claims *claims, const char *name,
                                     const char **value, size_t *size)
{
    dx_token_json_text found;
    if (!claims || !name || !value || !size) return DX_TOKEN_EINVAL;
    if (dx_token_json_find_members(claims->json, claims->size, &name, 1, &found))
        return DX_TOKEN_ECORRUPT;
    if (!found.begin) return DX_TOKEN_ENOTFOUND;
    *value = found.begin;
    *size = (size_t)(found.end - found.begin);
    return DX_TOKEN_OK;
}

#endif /* DX_TOKEN_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
