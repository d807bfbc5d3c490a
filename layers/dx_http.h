/*  dx_http.h - v0.3.0 - header fields for HTTP middleware: CORS, rate limits, response times
              - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_HTTP_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_http.h"

    and include it elsewhere without the define. C99; also builds as C++11. It needs no other
    header, parses no request and sends nothing: it is for the fields of a server that does.

    QUICK EXAMPLE

        static const char *const origins[] = {"https://app.example"};
        dx_http_cors cors;
        memset(&cors, 0, sizeof cors);
        cors.origins = origins;
        cors.origin_count = 1;

        char asked[] = "Host: api.example\r\nOrigin: https://app.example\r\n";
        char memory[512];
        dx_http_fields request = {asked, sizeof asked - 1, sizeof asked};
        dx_http_fields response = {memory, 0, sizeof memory};
        int result = dx_http_cors_before(&cors, "GET", &request, &response);
        if (result == DX_HTTP_STOP) return 0;                   // a preflight: status 204, no body
        if (!result) result = dx_http_add_response_time(&response, 1000000, 1456000);
        if (result) return 1;
        printf("%.*s", (int)response.size, response.text);      // three fields

    CONTENTS (search >>)  config  errors  fields  cors  platform  names  writing  reading
                          well-known fields  rules  license

    GUARANTEES  Never allocates; no globals; no recursion. A field is written whole or not at all,
                and no value can end its line: one with a control character is refused.
    LIMITS      dx_http_find_field() is O(size of the fields). One thread per dx_http_fields.
    CONFIG      DX_HTTP_STATIC, DX_HTTP_API, DX_HTTP_ASSERT(c), DX_HTTP_MEMCPY, DX_HTTP_MEMCMP
    ERRORS      dx_http_error: 0 = ok, negative = reason
    OWNERSHIP   The caller owns every byte. What dx_http_find_field() returns lies in the fields.
*/
#ifndef DX_HTTP_H
#define DX_HTTP_H

#define DX_HTTP_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_HTTP_API
  #ifdef DX_HTTP_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_HTTP_API static __attribute__((unused))
    #else
      #define DX_HTTP_API static
    #endif
  #else
    #define DX_HTTP_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_HTTP_ERRORS(X)                                            \
    X(0, OK)                                                         \
    X(-1, EINVAL)   /* an argument breaks its documented contract */ \
    X(-3, ENOSPACE) /* the fields do not fit; nothing was written */

typedef enum dx_http_error {
#define DX_HTTP_P_ERROR_IS(value, constant) DX_HTTP_##constant = value,
    DX_HTTP_ERRORS(DX_HTTP_P_ERROR_IS)
    DX_HTTP_STOP = 2 /* answer now, call no handler; the value of DX_HBTP_STOP, for its chains */
} dx_http_error;

/* "DX_HTTP_ENOSPACE" and so on; "unknown error" for anything else. */
DX_HTTP_API const char *dx_http_error_name(int error);

/* >>fields ------------------------------------------------------------- */
/* Header fields, "Name: value\r\n" one behind the other, in the caller's memory. */
typedef struct dx_http_fields {
    char  *text;
    size_t size;     /* used */
    size_t capacity;
} dx_http_fields;

/* Append a field, all or nothing. EINVAL: name is no token (RFC 9110, 5.6.2), or value holds a
   control character, so also a line break; ENOSPACE. */
DX_HTTP_API int dx_http_add_field(dx_http_fields *fields, const char *name, const char *value);
/* The value of the first field with this name, in any case, without white space around it, not
   terminated; NULL: none. The text may be anything that was received. */
DX_HTTP_API const char *dx_http_find_field(const dx_http_fields *fields, const char *name,
                                           size_t *value_size);
/* X-Response-Time, "0.123ms"; 0 where the clock went back. For an after hook, which also runs where
   something was refused. Read the clock once a batch: it costs more than a frame. */
DX_HTTP_API int dx_http_add_response_time(dx_http_fields *fields, uint64_t begun_ns,
                                          uint64_t now_ns);
/* X-RateLimit-Limit, X-RateLimit-Remaining and, where retry_delay_ns is not 0, Retry-After in
   seconds, rounded up. All or nothing. */
DX_HTTP_API int dx_http_add_rate_limit(dx_http_fields *fields, uint32_t limit, uint32_t remaining,
                                       uint64_t retry_delay_ns);

/* >>cors --------------------------------------------------------------- */
typedef struct dx_http_cors {   /* constant: may stand in flash */
    const char *const *origins; /* "https://a.example", compared byte by byte; "*": every one */
    size_t             origin_count;
    const char        *methods;     /* for preflights, "GET, POST"; NULL: "GET, HEAD, POST" */
    const char        *fields;      /* header fields that may be sent; NULL: none named */
    const char        *max_age;     /* seconds, "600"; NULL: not said */
    bool               credentials; /* never with "*", which the standard forbids */
} dx_http_cors;

/* CORS (the Fetch standard): adds Vary, and Access-Control-* where the request's Origin is in the
   list. Returns 0; DX_HTTP_STOP: a preflight, answer it with status 204 and these fields; ENOSPACE,
   EINVAL. All or nothing. */
DX_HTTP_API int dx_http_cors_before(const dx_http_cors *cors, const char *method,
                                    const dx_http_fields *request, dx_http_fields *response);

#ifdef __cplusplus
}
#endif
#endif /* DX_HTTP_H */

#if (defined(DX_HTTP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_HTTP_IMPLEMENTED)
#define DX_HTTP_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_HTTP_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_HTTP_ASSERT(c) assert(c)
  #else
    #define DX_HTTP_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_HTTP_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_HTTP_P_MEM(name) name
#endif
#ifndef DX_HTTP_MEMCPY
  #define DX_HTTP_MEMCPY DX_HTTP_P_MEM(memcpy)
#endif
#ifndef DX_HTTP_MEMCMP
  #define DX_HTTP_MEMCMP DX_HTTP_P_MEM(memcmp)
#endif

/* >>names -------------------------------------------------------------- */
#define DX_HTTP_P_ERROR_NAME(value, constant) \
    case value: return "DX_HTTP_" #constant;

DX_HTTP_API const char *dx_http_error_name(int error)
{
    switch (error) {
        DX_HTTP_ERRORS(DX_HTTP_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>writing -------------------------------------------------------------
   One field is four pieces, copied only once all of them are known to be good and to fit:

       | name | ": " | value | "\r\n" |

   Whoever controls a value must not be able to end the line and begin a field, or a body, of their
   own; so every control character but the tab is refused. */
enum { DX_HTTP_P_SEPARATORS = 4 }; /* bytes of ": " and "\r\n" */

static char dx_http_p_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static size_t dx_http_p_length(const char *text)
{
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

/* A character of a token, RFC 9110, 5.6.2. */
static bool dx_http_p_is_token_char(char c)
{
    const char *other = "!#$%&'*+-.^_`|~";
    const char low = dx_http_p_lower(c);
    if ((low >= 'a' && low <= 'z') || (low >= '0' && low <= '9')) return true;
    while (*other && *other != c) other++;
    return *other != 0;
}

static bool dx_http_p_is_token(const char *name)
{
    const char *p = name;
    while (*p && dx_http_p_is_token_char(*p)) p++;
    return p != name && !*p;
}

static bool dx_http_p_is_value(const char *value, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f) return false;
    return true;
}

/* Append bytes that are known to fit. */
static void dx_http_p_append(dx_http_fields *fields, const char *bytes, size_t size)
{
    DX_HTTP_ASSERT(size <= fields->capacity - fields->size);
    DX_HTTP_MEMCPY(fields->text + fields->size, bytes, size);
    fields->size += size;
}

DX_HTTP_API int dx_http_add_field(dx_http_fields *fields, const char *name, const char *value)
{
    size_t name_size;
    size_t value_size;
    size_t room;
    if (!fields || !fields->text || fields->size > fields->capacity) return DX_HTTP_EINVAL;
    if (!name || !value || !dx_http_p_is_token(name)) return DX_HTTP_EINVAL;
    name_size = dx_http_p_length(name);
    value_size = dx_http_p_length(value);
    if (!dx_http_p_is_value(value, value_size)) return DX_HTTP_EINVAL;
    room = fields->capacity - fields->size;
    if (room < DX_HTTP_P_SEPARATORS) return DX_HTTP_ENOSPACE;
    room -= DX_HTTP_P_SEPARATORS;
    if (name_size > room || value_size > room - name_size) return DX_HTTP_ENOSPACE;
    dx_http_p_append(fields, name, name_size);
    dx_http_p_append(fields, ": ", 2);
    dx_http_p_append(fields, value, value_size);
    dx_http_p_append(fields, "\r\n", 2);
    DX_HTTP_ASSERT(fields->size <= fields->capacity);
    return DX_HTTP_OK;
}

/* >>reading -------------------------------------------------------------
   Fields that were received may be any bytes. They are looked at line by line, and a line that is
   not a field of this name, for whatever reason, is skipped. Lines end with "\n", with or without
   "\r" before it. */
static bool dx_http_p_line_has_name(const char *line, const char *line_end, const char *name,
                                    size_t name_size)
{
    size_t i;
    DX_HTTP_ASSERT(line <= line_end);
    if ((size_t)(line_end - line) <= name_size || line[name_size] != ':') return false;
    for (i = 0; i < name_size; i++)
        if (dx_http_p_lower(line[i]) != dx_http_p_lower(name[i])) return false;
    return true;
}

static bool dx_http_p_is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

DX_HTTP_API const char *dx_http_find_field(const dx_http_fields *fields, const char *name,
                                           size_t *value_size)
{
    const size_t name_size = dx_http_p_length(name);
    const char *line = fields->text;
    const char *end;
    if (!fields->size) return NULL; /* then text may be NULL */
    for (end = line + fields->size; line < end; line++) {
        const char *line_end = line;
        while (line_end < end && *line_end != '\n') line_end++;
        if (dx_http_p_line_has_name(line, line_end, name, name_size)) {
            const char *value = line + name_size + 1;
            while (value < line_end && (*value == ' ' || *value == '\t')) value++;
            while (line_end > value && dx_http_p_is_blank(line_end[-1])) line_end--;
            DX_HTTP_ASSERT(value <= line_end && line_end <= end);
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
enum { DX_HTTP_P_DIGITS = 20 }; /* of 2^64 - 1 */

/* Digits of a value, at least digits_min of them, in front of `end`. Returns the first. */
static char *dx_http_p_put_digits(char *end, uint64_t value, unsigned digits_min)
{
    unsigned digits = 0;
    while (value || digits < digits_min) {
        *--end = (char)('0' + value % 10);
        value /= 10;
        digits++;
    }
    DX_HTTP_ASSERT(digits <= DX_HTTP_P_DIGITS);
    return end;
}

static int dx_http_p_add_number(dx_http_fields *fields, const char *name, uint64_t value)
{
    char text[DX_HTTP_P_DIGITS + 1];
    char *const end = text + DX_HTTP_P_DIGITS;
    *end = 0;
    return dx_http_add_field(fields, name, dx_http_p_put_digits(end, value, 1));
}

DX_HTTP_API int dx_http_add_response_time(dx_http_fields *fields, uint64_t begun_ns,
                                          uint64_t now_ns)
{
    const uint64_t us = now_ns > begun_ns ? (now_ns - begun_ns) / 1000 : 0;
    char text[DX_HTTP_P_DIGITS + 5];
    char *p = text + sizeof text - 3;
    DX_HTTP_MEMCPY(p, "ms", 3);
    p = dx_http_p_put_digits(p, us % 1000, 3);
    *--p = '.';
    p = dx_http_p_put_digits(p, us / 1000, 1);
    DX_HTTP_ASSERT(p >= text);
    return dx_http_add_field(fields, "X-Response-Time", p);
}

DX_HTTP_API int dx_http_add_rate_limit(dx_http_fields *fields, uint32_t limit, uint32_t remaining,
                                       uint64_t retry_delay_ns)
{
    const uint64_t second = 1000000000u;
    const size_t size_before = fields ? fields->size : 0;
    int error;
    if (!fields) return DX_HTTP_EINVAL;
    error = dx_http_p_add_number(fields, "X-RateLimit-Limit", limit);
    if (!error) error = dx_http_p_add_number(fields, "X-RateLimit-Remaining", remaining);
    if (!error && retry_delay_ns)
        error = dx_http_p_add_number(fields, "Retry-After", (retry_delay_ns - 1) / second + 1);
    if (error) fields->size = size_before;
    DX_HTTP_ASSERT(fields->size >= size_before);
    return error;
}

/* >>rules ---------------------------------------------------------------
   A browser asks in one of two ways, and the answer names an origin of the list or none at all:

       a request      Origin: https://app.example            the handler runs, its answer carries
                                                             Access-Control-Allow-Origin
       a preflight    OPTIONS with Origin and                answered here, no handler runs
                      Access-Control-Request-Method

   What is sent back is the entry of the list, never the bytes that came, and Vary goes out in any
   case, so that no cache gives the answer for one origin to another. */

/* The entry of the list that allows this origin, or NULL. */
static const char *dx_http_p_find_origin(const dx_http_cors *cors, const char *origin, size_t size)
{
    size_t i;
    for (i = 0; i < cors->origin_count; i++) {
        const char *const known = cors->origins[i];
        const size_t n = dx_http_p_length(known);
        if (n == 1 && *known == '*') return known;
        if (n == size && !DX_HTTP_MEMCMP(known, origin, n)) return known;
    }
    return NULL;
}

static int dx_http_p_allow_origin(const dx_http_cors *cors, const char *origin,
                                  dx_http_fields *response)
{
    int error = dx_http_add_field(response, "Access-Control-Allow-Origin", origin);
    if (!error && cors->credentials && *origin != '*')
        error = dx_http_add_field(response, "Access-Control-Allow-Credentials", "true");
    return error;
}

static int dx_http_p_answer_preflight(const dx_http_cors *cors, dx_http_fields *response)
{
    const char *const methods = cors->methods ? cors->methods : "GET, HEAD, POST";
    int error = dx_http_add_field(response, "Access-Control-Allow-Methods", methods);
    if (!error && cors->fields)
        error = dx_http_add_field(response, "Access-Control-Allow-Headers", cors->fields);
    if (!error && cors->max_age)
        error = dx_http_add_field(response, "Access-Control-Max-Age", cors->max_age);
    return error;
}

static bool dx_http_p_is_preflight(const char *method, const dx_http_fields *request)
{
    size_t unused;
    DX_HTTP_ASSERT(method && request);
    if (dx_http_p_length(method) != 7 || DX_HTTP_MEMCMP(method, "OPTIONS", 7)) return false;
    return dx_http_find_field(request, "Access-Control-Request-Method", &unused) != NULL;
}

DX_HTTP_API int dx_http_cors_before(const dx_http_cors *cors, const char *method,
                                    const dx_http_fields *request, dx_http_fields *response)
{
    size_t size = 0;
    const char *sent;
    const char *allowed;
    bool preflight;
    size_t size_before;
    int error;
    if (!cors || !method || !request || !response) return DX_HTTP_EINVAL;
    size_before = response->size;
    error = dx_http_add_field(response, "Vary", "Origin");
    sent = dx_http_find_field(request, "Origin", &size);
    if (error || !sent) return error;
    preflight = dx_http_p_is_preflight(method, request);
    allowed = dx_http_p_find_origin(cors, sent, size);
    if (allowed) error = dx_http_p_allow_origin(cors, allowed, response);
    if (allowed && !error && preflight) error = dx_http_p_answer_preflight(cors, response);
    if (error) {
        response->size = size_before;
        return error;
    }
    return preflight ? DX_HTTP_STOP : DX_HTTP_OK;
}

#endif /* DX_HTTP_IMPLEMENTATION */

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
