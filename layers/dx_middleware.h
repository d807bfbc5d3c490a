/*  dx_middleware.h - v0.3.0 - middleware for servers: rate limits, CORS, header fields
                    - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_MIDDLEWARE_IMPLEMENTATION  (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_middleware.h"

    and include it elsewhere without the define. C99; also builds as C++11. It needs no other
    header, parses no request and sends nothing: a server of HTTP or HBTP calls it before and after
    its handlers.

    QUICK EXAMPLE

        static uint64_t memory[24 * 1024];                // 8,192 clients at a time
        dx_middleware_limiter limiter;
        dx_middleware_limiter_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        desc.seed = 0x9e3779b97f4a7c15u;                  // in a program: random and secret
        desc.limit = 100;                                 // requests a second for each client
        if (dx_middleware_limiter_init(&limiter, &desc)) return 1;

        static const char *const origins[] = {"https://app.example"};
        dx_middleware_cors cors;
        memset(&cors, 0, sizeof cors);
        cors.origins = origins;
        cors.origin_count = 1;

        char asked[] = "Host: api.example\r\nOrigin: https://app.example\r\n";
        char text[512];
        dx_middleware_fields request = {asked, sizeof asked - 1, sizeof asked};
        dx_middleware_fields response = {text, 0, sizeof text};
        int result = dx_middleware_cors_before(&cors, "GET", &request, &response);
        if (result == DX_MIDDLEWARE_STOP) return 0;       // a preflight: status 204, no body

        dx_middleware_quota quota;
        uint64_t client = 0x0a000001u;                    // a hash of the client's identity
        if (dx_middleware_limiter_take(&limiter, client, 0, &quota)) return 0; // status 429
        if (!result) result = dx_middleware_add_rate_limit(&response, &quota);
        if (!result) result = dx_middleware_add_response_time(&response, 1000000, 1456000);
        if (result) return 1;
        printf("%.*s", (int)response.size, response.text);      // five fields

    CONTENTS (search >>)  config  errors  limiter  fields  cors  platform  shared  names  meters
                          writing  reading  well-known fields  rules  license

    GUARANTEES  Never allocates; no globals; no recursion. A field is written completely or not at
                all, and no value can end its line: one with a control character is refused.
                Limiting a request costs the same however many keys there are: one hash and at most
                eight meters. Using many keys does not get a client above the limit. A clock
                that goes back admits no additional requests.
    LIMITS      At most 2^27 keys at a time. Finding a field is O(size of the fields).
    SIZE        code: x86-64 3,123, Cortex-M0 2,481; objects: dx_middleware_limiter 80,
                dx_middleware_meter 24, dx_middleware_fields 24
    THREADS     One at a time for each limiter and each dx_middleware_fields: give each worker its
                own.
    CONFIG      DX_MIDDLEWARE_STATIC, DX_MIDDLEWARE_API, DX_MIDDLEWARE_ASSERT(c),
                DX_MIDDLEWARE_MEMCPY, DX_MIDDLEWARE_MEMSET, DX_MIDDLEWARE_MEMCMP
    ERRORS      dx_middleware_error: 0 = ok, negative = reason. Functions that can end a request may
                return DX_MIDDLEWARE_TOO_MANY or DX_MIDDLEWARE_STOP instead.
    OWNERSHIP   The caller owns every byte. A limiter's memory is borrowed while it is in use. The
                result of dx_middleware_find_field() points into the fields.
*/
#ifndef DX_MIDDLEWARE_H
#define DX_MIDDLEWARE_H

#define DX_MIDDLEWARE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_MIDDLEWARE_API
  #ifdef DX_MIDDLEWARE_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_MIDDLEWARE_API static __attribute__((unused))
    #else
      #define DX_MIDDLEWARE_API static
    #endif
  #else
    #define DX_MIDDLEWARE_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_MIDDLEWARE_ERRORS(X)                                      \
    X(0, OK)                                                         \
    X(-1, EINVAL)   /* an argument breaks its documented contract */ \
    X(-3, ENOSPACE) /* no room for the fields; nothing was written */

typedef enum dx_middleware_error {
#define DX_MIDDLEWARE_P_ERROR_IS(value, constant) DX_MIDDLEWARE_##constant = value,
    DX_MIDDLEWARE_ERRORS(DX_MIDDLEWARE_P_ERROR_IS)
    DX_MIDDLEWARE_STOP = 2,      /* respond now, call no handler: DX_HBTP_STOP, for its chains */
    DX_MIDDLEWARE_TOO_MANY = 429 /* the status of a refused request in HTTP and HBTP */
} dx_middleware_error;

/* "DX_MIDDLEWARE_ENOSPACE" and so on; "unknown error" for anything else. */
DX_MIDDLEWARE_API const char *dx_middleware_error_name(int error);

/* >>limiter ------------------------------------------------------------ */
/* Two policies. Token bucket: in any time t at most burst + t / period * limit requests. Window:
   `limit` requests in each period that starts with a request, so up to twice the limit around the
   end of a period. */
typedef struct dx_middleware_limiter_desc { /* zero = the default given after each field */
    void    *memory;      /* aligned to 8; 192 bytes for every 8 keys limited at a time; borrowed.
                             NULL: one count for all keys */
    size_t   memory_size;
    uint64_t seed;        /* secret and random if keys are untrusted: without it an attacker can
                             find keys of one set and evict a ninth key from it */
    uint64_t period_ns;   /* one second */
    uint32_t limit;       /* requests a period; 1000 */
    uint32_t burst;       /* token bucket: requests at once; limit */
    bool     window;      /* false: token bucket */
} dx_middleware_limiter_desc;

typedef struct dx_middleware_meter { /* the usage of one key; 24 bytes; private */
    uint64_t key_;
    uint64_t time_ns_; /* bucket: when the debt is paid back; window: when it began */
    uint32_t used_;    /* window: requests in it */
    uint32_t reserved_;
} dx_middleware_meter;

typedef struct dx_middleware_limiter { /* caller-allocated; fields are private */
    dx_middleware_meter  one_;    /* without memory: the only meter */
    dx_middleware_meter *meters_; /* sets_ * 8 of them */
    uint64_t             seed_;
    uint64_t             period_ns_;
    uint64_t             interval_ns_; /* bucket: a request's cost, period / limit rounded up */
    uint64_t             slack_ns_;    /* bucket: max debt at which a request is admitted */
    uint32_t             limit_;
    uint32_t             sets_;        /* a power of two; 0: without memory */
    bool                 window_;
} dx_middleware_limiter;

typedef struct dx_middleware_quota {
    uint32_t limit;
    uint32_t remaining;      /* requests that would still be admitted now */
    uint64_t retry_delay_ns; /* refused: retry after this time; else 0 */
} dx_middleware_quota;

/* EINVAL: under 192 bytes or not aligned; period, or period / limit * burst, above 2^62 ns. */
DX_MIDDLEWARE_API int dx_middleware_limiter_init(dx_middleware_limiter *l,
                                                 const dx_middleware_limiter_desc *desc);
/* Count one request of `key` (a hash of the client's identity; 0 for all). Returns 0, or
   DX_MIDDLEWARE_TOO_MANY for a request above the limit, which is not counted. A key without a free
   meter takes over the least busy one of its set, including its usage. A clock above 2^63 is
   clamped. quota may be NULL. O(8). */
DX_MIDDLEWARE_API int dx_middleware_limiter_take(dx_middleware_limiter *l, uint64_t key,
                                                 uint64_t now_ns, dx_middleware_quota *quota);

/* >>fields ------------------------------------------------------------- */
/* Header fields, "Name: value\r\n", consecutive in the caller's memory. */
typedef struct dx_middleware_fields {
    char  *text;
    size_t size;     /* used */
    size_t capacity;
} dx_middleware_fields;

/* Append a field, all or nothing. EINVAL: name is not a token (RFC 9110, 5.6.2), or value has a
   control character, such as a line break; ENOSPACE. */
DX_MIDDLEWARE_API int dx_middleware_add_field(dx_middleware_fields *fields, const char *name,
                                              const char *value);
/* The value of the first field with this name, ignoring case, without surrounding white space, not
   terminated; NULL: not found. The text may be untrusted. */
DX_MIDDLEWARE_API const char *dx_middleware_find_field(const dx_middleware_fields *fields,
                                                       const char *name, size_t *value_size);
/* X-Response-Time, "0.123ms"; 0 if the clock went back. For an after hook, which also runs for
   refused requests. Read the clock once a batch: it costs more than a frame. */
DX_MIDDLEWARE_API int dx_middleware_add_response_time(dx_middleware_fields *fields,
                                                      uint64_t begun_ns, uint64_t now_ns);
/* X-RateLimit-Limit, X-RateLimit-Remaining and, if the quota has a delay, Retry-After in seconds,
   rounded up. All or nothing. */
DX_MIDDLEWARE_API int dx_middleware_add_rate_limit(dx_middleware_fields *fields,
                                                   const dx_middleware_quota *quota);

/* >>cors --------------------------------------------------------------- */
typedef struct dx_middleware_cors { /* constant: may be in flash */
    const char *const *origins; /* "https://a.example", compared byte by byte; "*": all */
    size_t             origin_count;
    const char        *methods;     /* for preflights, "GET, POST"; NULL: "GET, HEAD, POST" */
    const char        *fields;      /* allowed request header fields; NULL: none named */
    const char        *max_age;     /* seconds, "600"; NULL: omitted */
    bool               credentials; /* never with "*", which the standard forbids */
} dx_middleware_cors;

/* CORS (the Fetch standard): adds Vary, and Access-Control-* if the request's Origin is in the
   list. Returns 0; DX_MIDDLEWARE_STOP: a preflight, respond with status 204 and these fields;
   ENOSPACE, EINVAL. All or nothing. */
DX_MIDDLEWARE_API int dx_middleware_cors_before(const dx_middleware_cors *cors, const char *method,
                                                const dx_middleware_fields *request,
                                                dx_middleware_fields *response);

#ifdef __cplusplus
}
#endif
#endif /* DX_MIDDLEWARE_H */

#if (defined(DX_MIDDLEWARE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_MIDDLEWARE_IMPLEMENTED)
#define DX_MIDDLEWARE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_MIDDLEWARE_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_MIDDLEWARE_ASSERT(c) assert(c)
  #else
    #define DX_MIDDLEWARE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_MIDDLEWARE_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_MIDDLEWARE_P_MEM(name) name
#endif
#ifndef DX_MIDDLEWARE_MEMCPY
  #define DX_MIDDLEWARE_MEMCPY DX_MIDDLEWARE_P_MEM(memcpy)
#endif
#ifndef DX_MIDDLEWARE_MEMSET
  #define DX_MIDDLEWARE_MEMSET DX_MIDDLEWARE_P_MEM(memset)
#endif
#ifndef DX_MIDDLEWARE_MEMCMP
  #define DX_MIDDLEWARE_MEMCMP DX_MIDDLEWARE_P_MEM(memcmp)
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_middleware_p_rotate(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }

/* HalfSipHash-1-3 of eight bytes, for tables with untrusted keys: without the seed, collisions
   cannot be predicted. */
static uint32_t dx_middleware_p_keyed_hash(uint64_t seed, uint64_t key)
{
    const uint32_t k0 = (uint32_t)(seed & UINT32_MAX), k1 = (uint32_t)(seed >> 32);
    const uint32_t words[6] = {(uint32_t)(key & UINT32_MAX), (uint32_t)(key >> 32),
                               (uint32_t)8 << 24, 0, 0, 0};
    uint32_t a = k0, b = k1, c = k0 ^ 0x6c796765u, d = k1 ^ 0x74656462u;
    unsigned i;
    for (i = 0; i < 6; i++) {
        if (i == 3) c ^= 0xff;
        d ^= words[i];
        a += b;
        b = dx_middleware_p_rotate(b, 27) ^ a;
        a = dx_middleware_p_rotate(a, 16);
        c += d;
        d = dx_middleware_p_rotate(d, 24) ^ c;
        a += d;
        d = dx_middleware_p_rotate(d, 25) ^ a;
        c += b;
        b = dx_middleware_p_rotate(b, 19) ^ c;
        c = dx_middleware_p_rotate(c, 16);
        a ^= words[i];
    }
    return b ^ d;
}

/* >>names -------------------------------------------------------------- */
#define DX_MIDDLEWARE_P_ERROR_NAME(value, constant) \
    case value: return "DX_MIDDLEWARE_" #constant;

DX_MIDDLEWARE_API const char *dx_middleware_error_name(int error)
{
    switch (error) {
        DX_MIDDLEWARE_ERRORS(DX_MIDDLEWARE_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>meters --------------------------------------------------------------
   A key hashes to one set and may use any of its eight meters, so a set holds eight busy keys
   before it evicts one:

       set 0   | meter | meter | meter | meter | meter | meter | meter | meter |   192 bytes
       set 1   | meter | ...

   The token bucket is stored as one time (the "generic cell rate algorithm"): each admitted request
   adds one interval of debt, which passing time pays back.

       now            time_ns_        now + slack
        |----- debt ----->|                |
        |<- admitted if debt ends here --->|  and moves time_ns_ on by one interval

   The window counts instead: time_ns_ is when it began, used_ the requests since. In both, a meter
   without debt equals an unused one, so meters need no flag and no clearing. */

enum { DX_MIDDLEWARE_P_WAYS = 8 }; /* meters of a set */

/* Intervals are limited to 2^62 and clocks to 2^63, so that no sum of a clock and two intervals
   overflows: an overflow would forget the debt. */
#define DX_MIDDLEWARE_P_NS_MAX (UINT64_MAX / 4)
#define DX_MIDDLEWARE_P_CLOCK_MAX ((uint64_t)1 << 63)

typedef char dx_middleware_p_meter_is_24[sizeof(dx_middleware_meter) == 24 ? 1 : -1];

/* The debt of a meter at this time: nanoseconds of the bucket, or requests of the window. */
static uint64_t dx_middleware_p_debt(const dx_middleware_limiter *l, const dx_middleware_meter *m,
                                     uint64_t now_ns)
{
    if (!l->window_) return m->time_ns_ > now_ns ? m->time_ns_ - now_ns : 0;
    return now_ns >= m->time_ns_ && now_ns - m->time_ns_ >= l->period_ns_ ? 0 : m->used_;
}

/* The meter of this key; a new key takes over the one of its set with the least debt. */
static dx_middleware_meter *dx_middleware_p_meter_of(dx_middleware_limiter *l, uint64_t key,
                                                     uint64_t now_ns)
{
    dx_middleware_meter *set;
    dx_middleware_meter *idlest;
    uint32_t hash;
    unsigned i;
    if (!l->sets_) return &l->one_;
    DX_MIDDLEWARE_ASSERT(l->meters_ && (l->sets_ & (l->sets_ - 1)) == 0);
    hash = dx_middleware_p_keyed_hash(l->seed_, key);
    set = l->meters_ + (size_t)(hash & (l->sets_ - 1)) * DX_MIDDLEWARE_P_WAYS;
    idlest = set;
    for (i = 0; i < DX_MIDDLEWARE_P_WAYS; i++) {
        if (set[i].key_ == key) return &set[i];
        if (dx_middleware_p_debt(l, &set[i], now_ns) < dx_middleware_p_debt(l, idlest, now_ns))
            idlest = &set[i];
    }
    idlest->key_ = key;
    return idlest;
}

static int dx_middleware_p_take_from_bucket(const dx_middleware_limiter *l, dx_middleware_meter *m,
                                            uint64_t now_ns, dx_middleware_quota *quota)
{
    const uint64_t debt = dx_middleware_p_debt(l, m, now_ns);
    DX_MIDDLEWARE_ASSERT(l->interval_ns_ > 0);
    if (debt > l->slack_ns_) {
        if (quota) quota->retry_delay_ns = debt - l->slack_ns_;
        return DX_MIDDLEWARE_TOO_MANY;
    }
    m->time_ns_ = now_ns + debt + l->interval_ns_;
    if (quota) quota->remaining = (uint32_t)((l->slack_ns_ - debt) / l->interval_ns_);
    return DX_MIDDLEWARE_OK;
}

static int dx_middleware_p_take_from_window(const dx_middleware_limiter *l, dx_middleware_meter *m,
                                            uint64_t now_ns, dx_middleware_quota *quota)
{
    const uint64_t used = dx_middleware_p_debt(l, m, now_ns);
    DX_MIDDLEWARE_ASSERT(used <= l->limit_);
    if (used >= l->limit_) {
        if (quota) quota->retry_delay_ns = m->time_ns_ + l->period_ns_ - now_ns;
        return DX_MIDDLEWARE_TOO_MANY;
    }
    if (!used) m->time_ns_ = now_ns;
    m->used_ = (uint32_t)used + 1;
    if (quota) quota->remaining = l->limit_ - m->used_;
    return DX_MIDDLEWARE_OK;
}

DX_MIDDLEWARE_API int dx_middleware_limiter_init(dx_middleware_limiter *l,
                                                 const dx_middleware_limiter_desc *desc)
{
    const size_t set_size = DX_MIDDLEWARE_P_WAYS * sizeof(dx_middleware_meter);
    const uint32_t sets_max = (uint32_t)1 << 24;
    uint64_t burst;
    if (!l || !desc || ((uintptr_t)desc->memory & 7)) return DX_MIDDLEWARE_EINVAL;
    if (desc->memory && desc->memory_size < set_size) return DX_MIDDLEWARE_EINVAL;
    DX_MIDDLEWARE_MEMSET(l, 0, sizeof *l);
    l->limit_ = desc->limit ? desc->limit : 1000;
    l->period_ns_ = desc->period_ns ? desc->period_ns : 1000000000u;
    burst = desc->burst ? desc->burst : l->limit_;
    if (l->period_ns_ > DX_MIDDLEWARE_P_NS_MAX) return DX_MIDDLEWARE_EINVAL;
    l->interval_ns_ = (l->period_ns_ + l->limit_ - 1) / l->limit_; /* up: never above the limit */
    if (l->interval_ns_ > DX_MIDDLEWARE_P_NS_MAX / burst) return DX_MIDDLEWARE_EINVAL;
    l->slack_ns_ = l->interval_ns_ * (burst - 1);
    l->window_ = desc->window;
    l->seed_ = desc->seed;
    if (!desc->memory) return DX_MIDDLEWARE_OK;
    l->sets_ = 1;
    while (l->sets_ < sets_max && desc->memory_size / set_size / 2 >= l->sets_) l->sets_ *= 2;
    l->meters_ = (dx_middleware_meter *)desc->memory;
    DX_MIDDLEWARE_ASSERT(l->sets_ * set_size <= desc->memory_size);
    DX_MIDDLEWARE_MEMSET(l->meters_, 0, l->sets_ * set_size);
    return DX_MIDDLEWARE_OK;
}

DX_MIDDLEWARE_API int dx_middleware_limiter_take(dx_middleware_limiter *l, uint64_t key,
                                                 uint64_t now_ns, dx_middleware_quota *quota)
{
    dx_middleware_meter *m;
    if (now_ns > DX_MIDDLEWARE_P_CLOCK_MAX) now_ns = DX_MIDDLEWARE_P_CLOCK_MAX;
    m = dx_middleware_p_meter_of(l, key, now_ns);
    if (quota) {
        quota->limit = l->limit_;
        quota->remaining = 0;
        quota->retry_delay_ns = 0;
    }
    if (l->window_) return dx_middleware_p_take_from_window(l, m, now_ns, quota);
    return dx_middleware_p_take_from_bucket(l, m, now_ns, quota);
}

/* >>writing -------------------------------------------------------------
   A field has four pieces, copied only after all were checked and fit:

       | name | ": " | value | "\r\n" |

   A value from untrusted input must not be able to end the line and start another field, or a body:
   every control character except the tab is refused. */
enum { DX_MIDDLEWARE_P_SEPARATORS = 4 }; /* bytes of ": " and "\r\n" */

static char dx_middleware_p_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static size_t dx_middleware_p_length(const char *text)
{
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

/* A character of a token, RFC 9110, 5.6.2. */
static bool dx_middleware_p_is_token_char(char c)
{
    const char *other = "!#$%&'*+-.^_`|~";
    const char low = dx_middleware_p_lower(c);
    if ((low >= 'a' && low <= 'z') || (low >= '0' && low <= '9')) return true;
    while (*other && *other != c) other++;
    return *other != 0;
}

static bool dx_middleware_p_is_token(const char *name)
{
    const char *p = name;
    while (*p && dx_middleware_p_is_token_char(*p)) p++;
    return p != name && !*p;
}

static bool dx_middleware_p_is_value(const char *value, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f) return false;
    return true;
}

/* Append bytes that are known to fit. */
static void dx_middleware_p_append(dx_middleware_fields *fields, const char *bytes, size_t size)
{
    DX_MIDDLEWARE_ASSERT(size <= fields->capacity - fields->size);
    DX_MIDDLEWARE_MEMCPY(fields->text + fields->size, bytes, size);
    fields->size += size;
}

DX_MIDDLEWARE_API int dx_middleware_add_field(dx_middleware_fields *fields, const char *name,
                                              const char *value)
{
    size_t name_size;
    size_t value_size;
    size_t room;
    if (!fields || !fields->text || fields->size > fields->capacity) return DX_MIDDLEWARE_EINVAL;
    if (!name || !value || !dx_middleware_p_is_token(name)) return DX_MIDDLEWARE_EINVAL;
    name_size = dx_middleware_p_length(name);
    value_size = dx_middleware_p_length(value);
    if (!dx_middleware_p_is_value(value, value_size)) return DX_MIDDLEWARE_EINVAL;
    room = fields->capacity - fields->size;
    if (room < DX_MIDDLEWARE_P_SEPARATORS) return DX_MIDDLEWARE_ENOSPACE;
    room -= DX_MIDDLEWARE_P_SEPARATORS;
    if (name_size > room || value_size > room - name_size) return DX_MIDDLEWARE_ENOSPACE;
    dx_middleware_p_append(fields, name, name_size);
    dx_middleware_p_append(fields, ": ", 2);
    dx_middleware_p_append(fields, value, value_size);
    dx_middleware_p_append(fields, "\r\n", 2);
    DX_MIDDLEWARE_ASSERT(fields->size <= fields->capacity);
    return DX_MIDDLEWARE_OK;
}

/* >>reading -------------------------------------------------------------
   Received fields may be any bytes. They are scanned line by line, and a line that is not a valid
   field of this name is skipped. Lines end with "\n", with or without "\r" before it. */
static bool dx_middleware_p_line_has_name(const char *line, const char *line_end, const char *name,
                                          size_t name_size)
{
    size_t i;
    DX_MIDDLEWARE_ASSERT(line <= line_end);
    if ((size_t)(line_end - line) <= name_size || line[name_size] != ':') return false;
    for (i = 0; i < name_size; i++)
        if (dx_middleware_p_lower(line[i]) != dx_middleware_p_lower(name[i])) return false;
    return true;
}

static bool dx_middleware_p_is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

DX_MIDDLEWARE_API const char *dx_middleware_find_field(const dx_middleware_fields *fields,
                                                       const char *name, size_t *value_size)
{
    const size_t name_size = dx_middleware_p_length(name);
    const char *line = fields->text;
    const char *end;
    if (!fields->size) return NULL; /* then text may be NULL */
    for (end = line + fields->size; line < end; line++) {
        const char *line_end = line;
        while (line_end < end && *line_end != '\n') line_end++;
        if (dx_middleware_p_line_has_name(line, line_end, name, name_size)) {
            const char *value = line + name_size + 1;
            while (value < line_end && (*value == ' ' || *value == '\t')) value++;
            while (line_end > value && dx_middleware_p_is_blank(line_end[-1])) line_end--;
            DX_MIDDLEWARE_ASSERT(value <= line_end && line_end <= end);
            *value_size = (size_t)(line_end - value);
            return value;
        }
        line = line_end;
        if (line == end) break;
    }
    return NULL;
}

/* >>well-known fields ---------------------------------------------------
   Numbers are written from their last digit to the first, into the end of a small buffer:

       text   | . . . . . . . . . . . . . . . . . . . . 1 2 3 0 |
                                                        ^ returned */
enum { DX_MIDDLEWARE_P_DIGITS = 20 }; /* of 2^64 - 1 */

/* Write the digits of a value, at least digits_min of them, before `end`. Returns the first. */
static char *dx_middleware_p_put_digits(char *end, uint64_t value, unsigned digits_min)
{
    unsigned digits = 0;
    while (value || digits < digits_min) {
        *--end = (char)('0' + value % 10);
        value /= 10;
        digits++;
    }
    DX_MIDDLEWARE_ASSERT(digits <= DX_MIDDLEWARE_P_DIGITS);
    return end;
}

static int dx_middleware_p_add_number(dx_middleware_fields *fields, const char *name,
                                      uint64_t value)
{
    char text[DX_MIDDLEWARE_P_DIGITS + 1];
    char *const end = text + DX_MIDDLEWARE_P_DIGITS;
    *end = 0;
    return dx_middleware_add_field(fields, name, dx_middleware_p_put_digits(end, value, 1));
}

DX_MIDDLEWARE_API int dx_middleware_add_response_time(dx_middleware_fields *fields,
                                                      uint64_t begun_ns, uint64_t now_ns)
{
    const uint64_t us = now_ns > begun_ns ? (now_ns - begun_ns) / 1000 : 0;
    char text[DX_MIDDLEWARE_P_DIGITS + 5];
    char *p = text + sizeof text - 3;
    DX_MIDDLEWARE_MEMCPY(p, "ms", 3);
    p = dx_middleware_p_put_digits(p, us % 1000, 3);
    *--p = '.';
    p = dx_middleware_p_put_digits(p, us / 1000, 1);
    DX_MIDDLEWARE_ASSERT(p >= text);
    return dx_middleware_add_field(fields, "X-Response-Time", p);
}

DX_MIDDLEWARE_API int dx_middleware_add_rate_limit(dx_middleware_fields *fields,
                                                   const dx_middleware_quota *quota)
{
    const uint64_t second = 1000000000u;
    const size_t size_before = fields ? fields->size : 0;
    int error;
    if (!fields || !quota) return DX_MIDDLEWARE_EINVAL;
    error = dx_middleware_p_add_number(fields, "X-RateLimit-Limit", quota->limit);
    if (!error)
        error = dx_middleware_p_add_number(fields, "X-RateLimit-Remaining", quota->remaining);
    if (!error && quota->retry_delay_ns) {
        const uint64_t seconds = (quota->retry_delay_ns - 1) / second + 1;
        error = dx_middleware_p_add_number(fields, "Retry-After", seconds);
    }
    if (error) fields->size = size_before;
    DX_MIDDLEWARE_ASSERT(fields->size >= size_before);
    return error;
}

/* >>rules ---------------------------------------------------------------
   A browser sends one of two requests, and the response names an origin of the list, if any:

       a request      Origin: https://app.example            the handler runs, its response has
                                                             Access-Control-Allow-Origin
       a preflight    OPTIONS with Origin and                answered here, no handler runs
                      Access-Control-Request-Method

   The response repeats the entry of the list, never the received bytes, and always has Vary, so
   that no cache serves a response for one origin to another. */

/* The entry of the list that allows this origin, or NULL. */
static const char *dx_middleware_p_find_origin(const dx_middleware_cors *cors, const char *origin,
                                               size_t size)
{
    size_t i;
    for (i = 0; i < cors->origin_count; i++) {
        const char *const known = cors->origins[i];
        const size_t n = dx_middleware_p_length(known);
        if (n == 1 && *known == '*') return known;
        if (n == size && !DX_MIDDLEWARE_MEMCMP(known, origin, n)) return known;
    }
    return NULL;
}

static int dx_middleware_p_allow_origin(const dx_middleware_cors *cors, const char *origin,
                                        dx_middleware_fields *response)
{
    int error = dx_middleware_add_field(response, "Access-Control-Allow-Origin", origin);
    if (!error && cors->credentials && *origin != '*')
        error = dx_middleware_add_field(response, "Access-Control-Allow-Credentials", "true");
    return error;
}

static int dx_middleware_p_answer_preflight(const dx_middleware_cors *cors,
                                            dx_middleware_fields *response)
{
    const char *const methods = cors->methods ? cors->methods : "GET, HEAD, POST";
    int error = dx_middleware_add_field(response, "Access-Control-Allow-Methods", methods);
    if (!error && cors->fields)
        error = dx_middleware_add_field(response, "Access-Control-Allow-Headers", cors->fields);
    if (!error && cors->max_age)
        error = dx_middleware_add_field(response, "Access-Control-Max-Age", cors->max_age);
    return error;
}

static bool dx_middleware_p_is_preflight(const char *method, const dx_middleware_fields *request)
{
    size_t unused;
    DX_MIDDLEWARE_ASSERT(method && request);
    if (dx_middleware_p_length(method) != 7) return false;
    if (DX_MIDDLEWARE_MEMCMP(method, "OPTIONS", 7)) return false;
    return dx_middleware_find_field(request, "Access-Control-Request-Method", &unused) != NULL;
}

DX_MIDDLEWARE_API int dx_middleware_cors_before(const dx_middleware_cors *cors, const char *method,
                                                const dx_middleware_fields *request,
                                                dx_middleware_fields *response)
{
    size_t size = 0;
    const char *sent;
    const char *allowed;
    bool preflight;
    size_t size_before;
    int error;
    if (!cors || !method || !request || !response) return DX_MIDDLEWARE_EINVAL;
    size_before = response->size;
    error = dx_middleware_add_field(response, "Vary", "Origin");
    sent = dx_middleware_find_field(request, "Origin", &size);
    if (error || !sent) return error;
    preflight = dx_middleware_p_is_preflight(method, request);
    allowed = dx_middleware_p_find_origin(cors, sent, size);
    if (allowed) error = dx_middleware_p_allow_origin(cors, allowed, response);
    if (allowed && !error && preflight) error = dx_middleware_p_answer_preflight(cors, response);
    if (error) {
        response->size = size_before;
        return error;
    }
    return preflight ? DX_MIDDLEWARE_STOP : DX_MIDDLEWARE_OK;
}

#endif /* DX_MIDDLEWARE_IMPLEMENTATION */

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
