/*  dx_edge.h - v0.3.0 - both ends of a conditional HTTP request that a patch may answer
                        - MIT-0 or public domain, see end of file

    A client that has an older version of a resource asks whether there is a newer one, and gets
    "not modified" (304), a patch (226), or the whole (200). This layer handles the header fields of
    HTTP (RFC 9110, RFC 3229), and caches responses in a dx_cache.h; sockets and patches are the
    program's.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION     (DX_EDGE_, DX_CACHE_ and DX_CAS_IMPLEMENTATION)
        #include "dx_edge.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cache.h
    from the same folder, unless that was included before.

    QUICK EXAMPLE

        char fields[DX_EDGE_FIELDS_MAX], tag[80];
        dx_edge_server  server;
        dx_edge_version base;
        size_t size;
        memset(&server, 0, sizeof server);
        memset(server.now.hash, 0xab, 32);              // the hash of the current version
        size = dx_edge_fields(&server, DX_EDGE_STALE, NULL, fields);    // with the whole body
        if (size == 0 || strstr(fields, "ETag: ") == NULL) return 1;
        memcpy(tag, fields + 6, 66);                    // the version that a client has
        switch (dx_edge_negotiate(&server, tag, 66, true, &base)) {
        case DX_EDGE_FRESH: break;                      // 304
        case DX_EDGE_PATCH: return 2;                   // 226, with a patch from base
        default: return 3;                              // 200
        }

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>tags  >>text  >>server  >>client  >>license

    The client's side, in a program:

        switch (dx_edge_begin(&edge, key, key_size, now_ms, &call)) {
        case DX_EDGE_OK: use(call.view.value, call.view.value_size); break;
        case DX_CACHE_COMPUTE:
            do {
                dx_edge_request(&call, fields);      // "If-None-Match: ...", to be sent along
                if (!ask(fields, &reply)) { result = dx_edge_offline(&edge, &call, now_ms); break; }
                result = dx_edge_reply(&edge, &call, &reply, now_ms);
            } while (result == DX_EDGE_REFETCH);     // at most once: the whole body
        }                                            // OK and ESTALE: call.view
        dx_edge_end(&edge, &call);

    GUARANTEES
        - A patched result is stored only if it has the hash in the strong ETag, and its base is the
          cached entry; otherwise the whole body is requested again.
        - A strong ETag is 64 hex digits, the hash of the content; a server that encodes a body may
          append "-gzip" or another name to it. Foreign tags are not errors.
        - No allocation, no globals, no recursion, no printing.
    LIMITS      The first DX_EDGE_TAGS_MAX tags of a request. A patched result must fit into
                edge.memory.
    SIZE        code: x86-64 4,470, Cortex-M0 2,942; objects: dx_edge_client 48, dx_edge_call 184,
                dx_edge_server 80
    THREADS     As the cache; a call and its memory belong to one thread at a time.
    CONFIG      DX_EDGE_STATIC     functions become static
                DX_EDGE_API        how functions are declared
                DX_EDGE_ASSERT(c)  <assert.h> when hosted
                DX_EDGE_MEMSET, DX_EDGE_MEMCMP
    ERRORS      dx_edge_error: 0 = ok, negative = reason, with the values of dx_cache_error;
                dx_edge_error_name() returns its name.
    OWNERSHIP   The cache and the memory are the caller's. A call holds views until dx_edge_end().
    FORMAT      RFC 9110 (ETag, If-None-Match), RFC 3229 (A-IM, Delta-Base).
*/
#ifndef DX_EDGE_H
#define DX_EDGE_H

#define DX_EDGE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CACHE_H
  #include "dx_cache.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_EDGE_API
  #ifndef DX_EDGE_STATIC
    #define DX_EDGE_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_EDGE_API static __attribute__((unused))
  #else
    #define DX_EDGE_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; those of dx_cache.h that are returned, and one more. */
#define DX_EDGE_ERRORS(X)                                                                          \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its contract */                                        \
    X(-2, ENOMEM)     /* no room in the cache */                                                   \
    X(-4, ETOOBIG)    /* above the quota of the cache */                                           \
    X(-5, ECORRUPT)   /* the body does not match its ETag */                                       \
    X(-6, EAGAIN)     /* too much is under way, or the entry is gone: start over */                \
    X(-7, ESYS)       /* no response, and no cached one */                                         \
    X(-9, ENOTFOUND)  /* no such entry */                                                          \
    X(-32, ESTALE)    /* the view has the last good one */                                         \
    X(-33, EOUTDATED) /* overtaken by an invalidation: start over */                               \
    X(-34, EPROTOCOL) /* not a response to this request, e.g. 304 without If-None-Match */

typedef enum dx_edge_error {
#define DX_EDGE_P_ENUM(value, constant) DX_EDGE_##constant = value,
    DX_EDGE_ERRORS(DX_EDGE_P_ENUM)
#undef DX_EDGE_P_ENUM
} dx_edge_error;

/* The kind of a response, or the next step after an unusable one. */
typedef enum dx_edge_outcome {
    DX_EDGE_FRESH = 1,  /* 304: the client is up to date */
    DX_EDGE_PATCH = 2,  /* 226: a patch of the client's version */
    DX_EDGE_STALE = 3,  /* 200: the whole body */
    DX_EDGE_REFETCH = 4 /* request again, the whole body */
} dx_edge_outcome;

enum {
    DX_EDGE_FIELDS_MAX = 320,
    DX_EDGE_ETAG_MAX = 72,
    DX_EDGE_TAGS_MAX = 32,
    DX_EDGE_ENCODING_MAX = 16
};

typedef struct dx_edge_version {
    uint8_t  hash[32];
    uint64_t number; /* 0: no number, so no weak tag */
} dx_edge_version;

typedef struct dx_edge_server {
    dx_edge_version now;
    uint64_t max_age_s; /* 0: one year; UINT64_MAX: no-cache, always revalidate */
    bool     immutable; /* the address never means another version (RFC 8246) */
    /* Of a whole body: "gzip", at most DX_EDGE_ENCODING_MAX of a-z; NULL: none. */
    const char *encoding;
    /* Is there an older version whose hash begins with this (size is 32, or 16 with its number),
       and for which a patch exists or will exist? */
    bool (*known)(void *user, const uint8_t *hash, size_t size, uint64_t number,
                  dx_edge_version *out);
    void *user;
} dx_edge_server;

typedef struct dx_edge_client {
    dx_cache *cache;
    int (*apply)(void *user, const void *base, size_t base_size, const void *patch,
                 size_t patch_size, void *out, size_t capacity, size_t *got);
    /* 0, or an error; NULL: no patches */
    void     *user;
    void     *memory; /* for patched results, one at a time; larger ones are fetched whole */
    size_t    memory_size;
    uint64_t  ttl_ms; /* 0: that of the cache */
} dx_edge_client;

typedef struct dx_edge_call { /* one request; fields ending in _ are private */
    dx_cache_view   view; /* the answer */
    dx_cache_view   base_;
    dx_cache_ticket ticket_;
    const void     *key_;
    size_t          key_size_;
    bool            patches_; /* a patch is acceptable */
    bool            whole_;   /* a response was unusable: request the whole body */
} dx_edge_call;

typedef struct dx_edge_answer { /* as received; borrowed during dx_edge_reply() */
    int         status;  /* 200, 226, 304; others count as no response */
    bool        patch;   /* of 200: the content type is that of a patch */
    const char *etag;       /* the values of these fields, or NULL */
    const char *delta_base;
    size_t      etag_size;
    size_t      delta_base_size;
    const void *body;
    size_t      body_size;
} dx_edge_answer;

/* >>api ---------------------------------------------------------------- */
/* "DX_EDGE_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_EDGE_API const char *dx_edge_error_name(int error);

/* Select the response to a request with this If-None-Match field (NULL: none). *base is set for
   PATCH. Examines at most DX_EDGE_TAGS_MAX tags. */
DX_EDGE_API dx_edge_outcome dx_edge_negotiate(const dx_edge_server *server, const char *field,
                                              size_t size, bool patches, dx_edge_version *base);
/* Write the header fields of that response, each with CR LF, and NUL; returns their length. */
DX_EDGE_API size_t dx_edge_fields(const dx_edge_server *server, dx_edge_outcome outcome,
                                  const dx_edge_version *base, char out[DX_EDGE_FIELDS_MAX]);
/* W/"HEX:NUMBER": 16 bytes of the hash and the number of the version. */
DX_EDGE_API size_t dx_edge_weak_etag(const dx_edge_version *version, char out[DX_EDGE_ETAG_MAX]);

/* OK: call->view. COMPUTE: send a request; WAIT: another caller is requesting it, dx_edge_poll()
   after desc.wake. Errors of dx_cache_begin(). The key is borrowed until dx_edge_end(), which must
   follow. */
DX_EDGE_API int dx_edge_begin(dx_edge_client *edge, const void *key, size_t key_size,
                              uint64_t now_ms, dx_edge_call *call);
DX_EDGE_API int dx_edge_poll(dx_edge_client *edge, uint64_t now_ms, dx_edge_call *call);
/* Write the header fields of the request, each with CR LF, and NUL; returns their length. */
DX_EDGE_API size_t dx_edge_request(const dx_edge_call *call, char out[DX_EDGE_FIELDS_MAX]);
/* Handle a response. OK: it is stored and in call->view. DX_EDGE_REFETCH: send another request.
   ESTALE: as dx_edge_offline(). Other errors end the call: DX_EDGE_ECORRUPT, DX_EDGE_EPROTOCOL;
   EAGAIN and EOUTDATED (start over); errors of dx_cache_put(). */
DX_EDGE_API int dx_edge_reply(dx_edge_client *edge, dx_edge_call *call,
                              const dx_edge_answer *answer, uint64_t now_ms);
/* No response. ESTALE: the last good one is in call->view; DX_EDGE_ESYS: not cached. */
DX_EDGE_API int dx_edge_offline(dx_edge_client *edge, dx_edge_call *call, uint64_t now_ms);
DX_EDGE_API void dx_edge_end(dx_edge_client *edge, dx_edge_call *call);

#ifdef __cplusplus
}
#endif
#endif /* DX_EDGE_H */

#if (defined(DX_EDGE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_EDGE_IMPLEMENTED)
#define DX_EDGE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_EDGE_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_EDGE_ASSERT(c) assert(c)
  #else
    #define DX_EDGE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_EDGE_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_EDGE_P_LIBC(name) name
#endif
#ifndef DX_EDGE_MEMSET
  #define DX_EDGE_MEMSET DX_EDGE_P_LIBC(memset)
#endif
#ifndef DX_EDGE_MEMCMP
  #define DX_EDGE_MEMCMP DX_EDGE_P_LIBC(memcmp)
#endif

DX_EDGE_API const char *dx_edge_error_name(int error)
{
    switch (error) {
#define DX_EDGE_P_NAME(value, constant)                                                            \
    case value: return "DX_EDGE_" #constant;
        DX_EDGE_ERRORS(DX_EDGE_P_NAME)
#undef DX_EDGE_P_NAME
    default: return "unknown error";
    }
}

/* >>tags ----------------------------------------------------------------
   The strong tag names content, the weak one a version, for clients that have lost the content's
   hash. Both come in lists:

       If-None-Match: "64 hex digits", W/"32 hex digits:17", "something of another server"
                      hash, 32 bytes      16 bytes of it, and the number                    */
typedef struct dx_edge_p_tag { /* a tag of a list */
    const char *text; /* between the quotes */
    size_t      size;
    bool        weak;
} dx_edge_p_tag;

/* The next tag of a list (RFC 9110, 13.1.2) from *at on. False: the end, or malformed. */
static bool dx_edge_p_next(const char *field, size_t size, size_t *at, dx_edge_p_tag *tag)
{
    size_t i = *at;
    DX_EDGE_ASSERT(i <= size); /* at most after the closing quote of the last tag */
    while (i < size && (field[i] == ' ' || field[i] == '\t' || field[i] == ',')) i++;
    tag->weak = size - i > 2 && field[i] == 'W' && field[i + 1] == '/';
    if (tag->weak) i += 2;
    if (i == size || field[i] != '"') return false;
    tag->text = field + ++i;
    while (i < size && field[i] != '"') i++;
    tag->size = (size_t)(field + i - tag->text);
    *at = i + 1;
    return i < size;
}

/* Lower case only: that is how tags are written, and caches compare them byte by byte. */
static int dx_edge_p_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* Decode size bytes from twice as many hex digits. */
static bool dx_edge_p_hex(const char *text, uint8_t *out, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++) {
        int high = dx_edge_p_digit(text[2 * i]);
        int low = high < 0 ? -1 : dx_edge_p_digit(text[2 * i + 1]);
        if (low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* After a hash: the end, or "-" and the name of an encoding. */
static bool dx_edge_p_is_encoding(const char *text, size_t size)
{
    size_t i;
    DX_EDGE_ASSERT(text);
    if (size == 0) return true;
    if (size == 1 || text[0] != '-') return false;
    for (i = 1; i < size && text[i] >= 'a' && text[i] <= 'z'; i++) {}
    return i == size;
}

/* Decode a tag: 32 bytes of a hash, or 16 and a number; 0: a foreign tag. */
static size_t dx_edge_p_read(const dx_edge_p_tag *tag, uint8_t hash[32], uint64_t *number)
{
    size_t i;
    DX_EDGE_ASSERT(tag->text);
    *number = 0;
    if (tag->size >= 64 && dx_edge_p_hex(tag->text, hash, 32))
        return dx_edge_p_is_encoding(tag->text + 64, tag->size - 64) ? 32 : 0;
    if (!tag->weak || tag->size < 34 || tag->text[32] != ':') return 0;
    if (!dx_edge_p_hex(tag->text, hash, 16)) return 0;
    for (i = 33; i < tag->size; i++) {
        unsigned digit = (unsigned)(tag->text[i] - '0');
        if (digit > 9 || (i == 33 && digit == 0) || *number > (UINT64_MAX - digit) / 10) return 0;
        *number = *number * 10 + digit;
    }
    return 16;
}

/* The hash of a field that must be a single strong tag in our format. */
static bool dx_edge_p_strong(const char *field, size_t size, uint8_t hash[32])
{
    dx_edge_p_tag tag;
    uint64_t number;
    size_t at = 0;
    return field && dx_edge_p_next(field, size, &at, &tag) && !tag.weak &&
           dx_edge_p_read(&tag, hash, &number) == 32;
}

/* >>text ----------------------------------------------------------------
   Header fields are appended to a buffer of DX_EDGE_FIELDS_MAX bytes, enough for the longest set;
   each function returns the position after its text. */
static size_t dx_edge_p_text(char *out, size_t at, const char *text)
{
    DX_EDGE_ASSERT(at < DX_EDGE_FIELDS_MAX);
    while (*text) out[at++] = *text++;
    out[at] = 0;
    return at;
}

/* Bytes as hex digits. */
static size_t dx_edge_p_digits(char *out, size_t at, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;
    DX_EDGE_ASSERT(at + 2 * size < DX_EDGE_FIELDS_MAX);
    for (i = 0; i < 2 * size; i++) out[at++] = digits[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
    out[at] = 0;
    return at;
}

/* A number in decimal. */
static size_t dx_edge_p_number(char *out, size_t at, uint64_t value)
{
    uint64_t step = 1;
    DX_EDGE_ASSERT(at + 20 < DX_EDGE_FIELDS_MAX);
    while (value / step >= 10) step *= 10;
    for (; step; step /= 10) out[at++] = (char)('0' + value / step % 10);
    out[at] = 0;
    return at;
}

/* Is it the name of an encoding, which has a length of 1 to DX_EDGE_ENCODING_MAX? */
static bool dx_edge_p_names(const char *text)
{
    size_t size = 0;
    while (size <= DX_EDGE_ENCODING_MAX && text[size] >= 'a' && text[size] <= 'z') size++;
    return size >= 1 && size <= DX_EDGE_ENCODING_MAX && text[size] == 0;
}

/* A field with a strong tag: Name: "64 digits", with an encoding "64 digits-gzip". */
static size_t dx_edge_p_tag_field(char *out, size_t at, const char *name, const uint8_t hash[32],
                                  const char *encoding)
{
    at = dx_edge_p_text(out, dx_edge_p_text(out, at, name), ": \"");
    at = dx_edge_p_digits(out, at, hash, 32);
    if (encoding) at = dx_edge_p_text(out, dx_edge_p_text(out, at, "-"), encoding);
    return dx_edge_p_text(out, at, "\"\r\n");
}

/* >>server --------------------------------------------------------------
   The first tag that names the current version wins: 304. Else the first one that a patch can be
   based on: 226. Else 200. */
DX_EDGE_API dx_edge_outcome dx_edge_negotiate(const dx_edge_server *server, const char *field,
                                              size_t size, bool patches, dx_edge_version *base)
{
    dx_edge_outcome outcome = DX_EDGE_STALE;
    dx_edge_p_tag tag;
    uint8_t hash[32];
    uint64_t number;
    size_t at = 0, count, known;
    DX_EDGE_ASSERT(server && base);
    if (!field) return DX_EDGE_STALE;
    while (at < size && (field[at] == ' ' || field[at] == '\t')) at++;
    if (at < size && field[at] == '*') return DX_EDGE_FRESH;
    for (count = 0; count < DX_EDGE_TAGS_MAX && dx_edge_p_next(field, size, &at, &tag); count++) {
        known = dx_edge_p_read(&tag, hash, &number);
        if (!known) continue;
        if (DX_EDGE_MEMCMP(hash, server->now.hash, known) == 0 &&
            (known == 32 || number == server->now.number)) {
            return DX_EDGE_FRESH;
        }
        if (patches && outcome == DX_EDGE_STALE && server->known &&
            server->known(server->user, hash, known, number, base)) {
            outcome = DX_EDGE_PATCH;
        }
    }
    return outcome;
}

DX_EDGE_API size_t dx_edge_fields(const dx_edge_server *server, dx_edge_outcome outcome,
                                  const dx_edge_version *base, char out[DX_EDGE_FIELDS_MAX])
{
    const char *encoding = outcome == DX_EDGE_STALE ? server->encoding : NULL;
    const bool good_name = !encoding || dx_edge_p_names(encoding);
    size_t at = dx_edge_p_tag_field(out, 0, "ETag", server->now.hash, encoding);
    DX_EDGE_ASSERT(good_name);
    (void)good_name; /* without assertions */
    if (encoding) {
        at = dx_edge_p_text(out, dx_edge_p_text(out, at, "Content-Encoding: "), encoding);
        at = dx_edge_p_text(out, at, "\r\n");
    }
    if (outcome == DX_EDGE_PATCH) { /* for caches that would store it as the whole body */
        at = dx_edge_p_text(out, at, "Cache-Control: no-store\r\nIM: dx-patch\r\n");
        at = dx_edge_p_tag_field(out, at, "Delta-Base", base->hash, NULL);
    } else if (server->max_age_s == UINT64_MAX) {
        at = dx_edge_p_text(out, at, "Cache-Control: no-cache\r\n");
    } else {
        at = dx_edge_p_text(out, at, "Cache-Control: public, max-age=");
        at = dx_edge_p_number(out, at, server->max_age_s ? server->max_age_s : 31536000);
        at = dx_edge_p_text(out, at, server->immutable ? ", immutable\r\n" : "\r\n");
    }
    return dx_edge_p_text(out, at, "Vary: A-IM\r\n");
}

DX_EDGE_API size_t dx_edge_weak_etag(const dx_edge_version *version, char out[DX_EDGE_ETAG_MAX])
{
    size_t at = dx_edge_p_digits(out, dx_edge_p_text(out, 0, "W/\""), version->hash, 16);
    at = dx_edge_p_number(out, dx_edge_p_text(out, at, ":"), version->number);
    return dx_edge_p_text(out, at, "\"");
}

/* >>client --------------------------------------------------------------
   A call holds the stale entry (base_) during the request, and the answer (view) afterwards:

       begin -> COMPUTE -> request -> 304: base_ is renewed, and is the view
                                   -> 226: base_ + patch, checked against the ETag, is stored
                                   -> 200: the body, checked against a strong ETag, is stored
                                   -> the first two unusable: REFETCH, without a tag  */
/* After begin or poll: a stale entry becomes the base of the request. */
static int dx_edge_p_begun(dx_edge_call *call, int result)
{
    DX_EDGE_ASSERT(!dx_cache_ext_holds(&call->base_));
    if (result == DX_EDGE_OK) return result;
    call->base_ = call->view;
    DX_EDGE_MEMSET(&call->view, 0, sizeof call->view);
    return result;
}

DX_EDGE_API int dx_edge_begin(dx_edge_client *edge, const void *key, size_t key_size,
                              uint64_t now_ms, dx_edge_call *call)
{
    if (!edge || !edge->cache || !call) return DX_EDGE_EINVAL;
    DX_EDGE_MEMSET(call, 0, sizeof *call);
    call->key_ = key;
    call->key_size_ = key_size;
    call->patches_ = edge->apply != NULL;
    return dx_edge_p_begun(call, dx_cache_begin(edge->cache, key, key_size, now_ms, &call->view,
                                                &call->ticket_));
}

DX_EDGE_API int dx_edge_poll(dx_edge_client *edge, uint64_t now_ms, dx_edge_call *call)
{
    DX_EDGE_ASSERT(edge && edge->cache && call);
    dx_cache_release(edge->cache, &call->base_);
    return dx_edge_p_begun(call, dx_cache_poll(edge->cache, call->key_, call->key_size_, now_ms,
                                               &call->view, &call->ticket_));
}

DX_EDGE_API size_t dx_edge_request(const dx_edge_call *call, char out[DX_EDGE_FIELDS_MAX])
{
    DX_EDGE_ASSERT(call && out);
    out[0] = 0;
    if (call->whole_ || !dx_cache_ext_holds(&call->base_)) return 0;
    return dx_edge_p_text(out, dx_edge_p_tag_field(out, 0, "If-None-Match", call->base_.hash, NULL),
                          call->patches_ ? "A-IM: dx-patch\r\n" : "");
}

/* An unusable response: request the whole body once, or end the call. */
static int dx_edge_p_again(dx_edge_client *edge, dx_edge_call *call, int error, uint64_t now_ms)
{
    DX_EDGE_ASSERT(error < 0);
    if (!call->whole_ && dx_cache_ext_holds(&call->base_)) {
        call->whole_ = true;
        return DX_EDGE_REFETCH;
    }
    dx_cache_fail(edge->cache, &call->ticket_, error, now_ms);
    return error;
}

/* Store a response under the call's ticket, and view it. */
static int dx_edge_p_put(dx_edge_client *edge, dx_edge_call *call, const void *value, size_t size,
                         const uint8_t hash[32], size_t patch_size, uint64_t now_ms)
{
    dx_cache_item item;
    DX_EDGE_ASSERT(value || size == 0);
    DX_EDGE_MEMSET(&item, 0, sizeof item);
    item.key = call->key_;
    item.key_size = call->key_size_;
    item.value = value;
    item.value_size = size;
    item.ttl_ms = edge->ttl_ms;
    item.hash = hash;
    item.patch_size = patch_size;
    return dx_cache_put(edge->cache, &call->ticket_, &item, now_ms, &call->view);
}

/* 304: renew the stale entry, unless the server means another one. */
static int dx_edge_p_unchanged(dx_edge_client *edge, dx_edge_call *call,
                               const dx_edge_answer *answer, uint64_t now_ms)
{
    uint8_t hash[32];
    int result;
    if (call->whole_ || !dx_cache_ext_holds(&call->base_)) {
        return dx_edge_p_again(edge, call, DX_EDGE_EPROTOCOL, now_ms);
    }
    if (dx_edge_p_strong(answer->etag, answer->etag_size, hash) &&
        DX_EDGE_MEMCMP(hash, call->base_.hash, 32) != 0) {
        return dx_edge_p_again(edge, call, DX_EDGE_EPROTOCOL, now_ms); /* of another version */
    }
    result = dx_cache_renew(edge->cache, &call->ticket_, &call->base_, now_ms, edge->ttl_ms);
    if (result == DX_EDGE_ENOTFOUND) return DX_EDGE_EAGAIN; /* evicted meanwhile: start over */
    if (result != DX_EDGE_OK) return result;
    call->view = call->base_;
    DX_EDGE_MEMSET(&call->base_, 0, sizeof call->base_);
    return DX_EDGE_OK;
}

/* 226: base_ and the patch give the body. The patch is untrusted: it must be of base_, and the
   result must hash to the strong tag. */
static int dx_edge_p_patched(dx_edge_client *edge, dx_edge_call *call, const dx_edge_answer *answer,
                             uint64_t now_ms)
{
    uint8_t wanted[32], hash[32];
    size_t got = 0;
    if (call->whole_ || !dx_cache_ext_holds(&call->base_) || !edge->apply) {
        return dx_edge_p_again(edge, call, DX_EDGE_EPROTOCOL, now_ms); /* no patch was requested */
    }
    if (!dx_edge_p_strong(answer->etag, answer->etag_size, wanted) ||
        (answer->delta_base &&
         (!dx_edge_p_strong(answer->delta_base, answer->delta_base_size, hash) ||
          DX_EDGE_MEMCMP(hash, call->base_.hash, 32) != 0))) {
        return dx_edge_p_again(edge, call, DX_EDGE_ECORRUPT, now_ms);
    }
    if (edge->apply(edge->user, call->base_.value, call->base_.value_size, answer->body,
                    answer->body_size, edge->memory, edge->memory_size, &got) != 0 ||
        got > edge->memory_size) {
        return dx_edge_p_again(edge, call, DX_EDGE_ECORRUPT, now_ms);
    }
    dx_cache_ext_value_hash(edge->cache, edge->memory, got, hash);
    if (DX_EDGE_MEMCMP(hash, wanted, 32) != 0) {
        return dx_edge_p_again(edge, call, DX_EDGE_ECORRUPT, now_ms);
    }
    return dx_edge_p_put(edge, call, edge->memory, got, hash, answer->body_size, now_ms);
}

/* 200: the body, hashed here if the server sends no strong tag. */
static int dx_edge_p_whole(dx_edge_client *edge, dx_edge_call *call, const dx_edge_answer *answer,
                           uint64_t now_ms)
{
    uint8_t wanted[32], hash[32];
    dx_cache_ext_value_hash(edge->cache, answer->body, answer->body_size, hash);
    if (dx_edge_p_strong(answer->etag, answer->etag_size, wanted) &&
        DX_EDGE_MEMCMP(hash, wanted, 32) != 0) {
        return dx_edge_p_again(edge, call, DX_EDGE_ECORRUPT, now_ms);
    }
    return dx_edge_p_put(edge, call, answer->body, answer->body_size, hash, 0, now_ms);
}

DX_EDGE_API int dx_edge_reply(dx_edge_client *edge, dx_edge_call *call,
                              const dx_edge_answer *answer, uint64_t now_ms)
{
    if (!edge || !call || !answer || (!answer->body && answer->body_size)) return DX_EDGE_EINVAL;
    if (answer->status == 304) return dx_edge_p_unchanged(edge, call, answer, now_ms);
    if (answer->status == 226 || (answer->status == 200 && answer->patch)) {
        return dx_edge_p_patched(edge, call, answer, now_ms);
    }
    if (answer->status == 200) return dx_edge_p_whole(edge, call, answer, now_ms);
    return dx_edge_offline(edge, call, now_ms);
}

DX_EDGE_API int dx_edge_offline(dx_edge_client *edge, dx_edge_call *call, uint64_t now_ms)
{
    DX_EDGE_ASSERT(edge && call);
    dx_cache_fail(edge->cache, &call->ticket_, DX_EDGE_ESYS, now_ms);
    if (!dx_cache_ext_holds(&call->base_)) return DX_EDGE_ESYS;
    call->view = call->base_;
    DX_EDGE_MEMSET(&call->base_, 0, sizeof call->base_);
    return DX_EDGE_ESTALE;
}

DX_EDGE_API void dx_edge_end(dx_edge_client *edge, dx_edge_call *call)
{
    dx_cache_release(edge->cache, &call->base_);
    dx_cache_release(edge->cache, &call->view);
}

#endif /* DX_EDGE_IMPLEMENTATION */

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
