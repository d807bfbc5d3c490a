/*  dx_json.h - v0.3.0 - a strict reader of JSON objects: one pass, nothing built, nothing allocated
              - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_JSON_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_json.h"

    and include it elsewhere without the define. C99; also builds as C++11. No other header is
    needed. It is for messages that must be read by everybody in the same way, such as tokens.

    QUICK EXAMPLE

        const char json[] = "{\"user\":\"ada\",\"roles\":[\"admin\"],\"since\":1815}";
        static const char *const names[] = {"user", "roles", "since"};
        dx_json_text found[3];
        uint64_t since = 0;
        if (dx_json_find_members(json, sizeof json - 1, names, 3, found)) return 1;
        if (!dx_json_equals(&found[0], "ada") || !dx_json_contains(&found[1], "admin")) return 1;
        if (dx_json_read_integer(&found[2], &since) || since != 1815) return 1;

    CONTENTS (search >>)  config  errors  reader  platform  names  scalars  walk  values  license

    GUARANTEES  Everything in the object is checked by RFC 8259, also what nobody asked for. A name
                that was asked for and comes twice is refused, and so are escapes in the names of
                members, which could hide a second one: what two readers could read differently is
                an error. No allocation, globals or recursion; O(size * names).
    LIMITS      31 levels of arrays and objects. Numbers are checked as text; only whole numbers
                from 0 to 2^53 are converted. Strings are not checked to be UTF-8.
    CONFIG      DX_JSON_STATIC, DX_JSON_API, DX_JSON_ASSERT(c), DX_JSON_MEMSET
    ERRORS      dx_json_error: 0 = ok, negative = reason
    OWNERSHIP   The caller owns the text; what is found points into it.
*/
#ifndef DX_JSON_H
#define DX_JSON_H

#define DX_JSON_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_JSON_API
  #ifdef DX_JSON_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_JSON_API static __attribute__((unused))
    #else
      #define DX_JSON_API static
    #endif
  #else
    #define DX_JSON_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_JSON_ERRORS(X)                                             \
    X(0, OK)                                                          \
    X(-1, EINVAL)   /* an argument breaks its documented contract */  \
    X(-5, ECORRUPT) /* not one JSON object, or a name came twice */

typedef enum dx_json_error {
#define DX_JSON_P_ERROR_IS(value, constant) DX_JSON_##constant = value,
    DX_JSON_ERRORS(DX_JSON_P_ERROR_IS)
    DX_JSON_LEVELS_MAX = 31 /* arrays and objects in each other */
} dx_json_error;

/* "DX_JSON_ECORRUPT" and so on; "unknown error" for anything else. */
DX_JSON_API const char *dx_json_error_name(int error);

/* >>reader ------------------------------------------------------------- */
typedef struct dx_json_text { /* a value as it stands in the JSON, strings with their quotes */
    const char *begin;        /* NULL: not there */
    const char *end;          /* behind its last character */
} dx_json_text;

/* Read an object, all of it, and find the members with these names in its outermost level:
   found[i] is the value of names[i]. EINVAL; ECORRUPT. */
DX_JSON_API int  dx_json_find_members(const char *json, size_t size, const char *const *names,
                                      size_t count, dx_json_text *found);
/* Is the value this string? Of all escapes only that of "/" is understood, as some writers escape
   it; a string with another one equals no text. The value as dx_json_find_members() gave it. */
DX_JSON_API bool dx_json_equals(const dx_json_text *value, const char *text);
/* Is the value this string, or an array with this string in it? */
DX_JSON_API bool dx_json_contains(const dx_json_text *value, const char *text);
/* A whole number from 0 to 2^53, digits only. EINVAL: the value is not there; ECORRUPT: it is no
   such number. */
DX_JSON_API int  dx_json_read_integer(const dx_json_text *value, uint64_t *number);

#ifdef __cplusplus
}
#endif
#endif /* DX_JSON_H */

#if (defined(DX_JSON_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_JSON_IMPLEMENTED)
#define DX_JSON_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_JSON_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_JSON_ASSERT(c) assert(c)
  #else
    #define DX_JSON_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_JSON_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_JSON_P_MEM(name) name
#endif
#ifndef DX_JSON_MEMSET
  #define DX_JSON_MEMSET DX_JSON_P_MEM(memset)
#endif

/* >>names -------------------------------------------------------------- */
#define DX_JSON_P_ERROR_NAME(value, constant) \
    case value: return "DX_JSON_" #constant;

DX_JSON_API const char *dx_json_error_name(int error)
{
    switch (error) {
        DX_JSON_ERRORS(DX_JSON_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>scalars -------------------------------------------------------------
   Every function here takes the text that is left and moves its begin behind what it has read:

       { "name" : 12.5e3 , ...
                  ^begin       end^        number: begin moves to the comma

   The end of the text reads as a zero byte, which no rule accepts, so that no loop has to ask twice
   whether anything is left. */
static char dx_json_p_at(const dx_json_text *t)
{
    DX_JSON_ASSERT(t->begin <= t->end);
    return t->begin < t->end ? *t->begin : '\0';
}

static bool dx_json_p_is_digit(char c) { return c >= '0' && c <= '9'; }

static bool dx_json_p_is_hex(char c)
{
    return dx_json_p_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The next character behind white space; 0: the end. */
static char dx_json_p_peek(dx_json_text *t)
{
    for (; t->begin < t->end; t->begin++) {
        const char c = *t->begin;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
    }
    return '\0';
}

static bool dx_json_p_take(dx_json_text *t, char c)
{
    if (dx_json_p_peek(t) != c) return false;
    t->begin++;
    return true;
}

/* What stands behind a backslash. */
static bool dx_json_p_read_escape(dx_json_text *t)
{
    const char c = dx_json_p_at(t);
    const char *known = "\"\\/bfnrt";
    unsigned digits;
    if (c == 'u') {
        t->begin++;
        for (digits = 0; digits < 4; digits++, t->begin++)
            if (!dx_json_p_is_hex(dx_json_p_at(t))) return false;
        return true;
    }
    while (*known && *known != c) known++;
    if (!*known) return false;
    t->begin++;
    return true;
}

typedef enum dx_json_p_string {
    DX_JSON_P_NO_STRING,
    DX_JSON_P_PLAIN,
    DX_JSON_P_ESCAPED /* with a backslash in it */
} dx_json_p_string;

static dx_json_p_string dx_json_p_read_string(dx_json_text *t)
{
    dx_json_p_string kind = DX_JSON_P_PLAIN;
    DX_JSON_ASSERT(t->begin <= t->end);
    if (!dx_json_p_take(t, '"')) return DX_JSON_P_NO_STRING;
    for (;;) {
        const char *p = t->begin;
        while (p < t->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
        t->begin = p;
        if (p == t->end || (unsigned char)*p < 0x20) return DX_JSON_P_NO_STRING;
        t->begin++;
        if (*p == '"') return kind;
        if (!dx_json_p_read_escape(t)) return DX_JSON_P_NO_STRING;
        kind = DX_JSON_P_ESCAPED;
    }
}

/* At least one digit. */
static bool dx_json_p_read_digits(dx_json_text *t)
{
    const char *const first = t->begin;
    while (dx_json_p_is_digit(dx_json_p_at(t))) t->begin++;
    return t->begin > first;
}

/* A whole part without leading zeros, perhaps a fraction, perhaps an exponent. */
static bool dx_json_p_read_number(dx_json_text *t)
{
    const char *first;
    if (dx_json_p_at(t) == '-') t->begin++;
    first = t->begin;
    if (!dx_json_p_read_digits(t) || (*first == '0' && t->begin - first > 1)) return false;
    if (dx_json_p_at(t) == '.') {
        t->begin++;
        if (!dx_json_p_read_digits(t)) return false;
    }
    if (dx_json_p_at(t) == 'e' || dx_json_p_at(t) == 'E') {
        t->begin++;
        if (dx_json_p_at(t) == '+' || dx_json_p_at(t) == '-') t->begin++;
        if (!dx_json_p_read_digits(t)) return false;
    }
    return true;
}

static bool dx_json_p_read_word(dx_json_text *t, const char *word)
{
    while (*word && *word == dx_json_p_at(t)) {
        word++;
        t->begin++;
    }
    return !*word;
}

static bool dx_json_p_read_scalar(dx_json_text *t)
{
    switch (dx_json_p_peek(t)) {
    case '"': return dx_json_p_read_string(t) != DX_JSON_P_NO_STRING;
    case 't': return dx_json_p_read_word(t, "true");
    case 'f': return dx_json_p_read_word(t, "false");
    case 'n': return dx_json_p_read_word(t, "null");
    default: return dx_json_p_read_number(t);
    }
}

/* >>walk ----------------------------------------------------------------
   One loop walks the whole text. What a recursive reader keeps on the stack is one bit a level,
   1 for an object and 0 for an array, under a highest bit that only marks the depth:

       1                outside: before the object, or behind it
       1 1              in the outermost object: the members that may be asked for
       1 1 0            in an array in it
       1 1 0 1          in an object in that array

   Each step reads the end of a container; or, behind a comma, and in an object behind a name, the
   beginning of a container or a scalar. */
enum {
    DX_JSON_P_OUTSIDE   = 1,
    DX_JSON_P_OUTERMOST = 3
};

struct dx_json_p_walk {
    dx_json_text rest;  /* what was not read */
    dx_json_text name;  /* of the last member of the outermost object, without quotes */
    dx_json_text value; /* of that member */
    uint32_t     levels;
    bool         fresh; /* a container has just begun: no comma before what comes */
};

static bool dx_json_p_read_name(struct dx_json_p_walk *w)
{
    dx_json_p_string kind;
    const char *begin;
    (void)dx_json_p_peek(&w->rest);
    begin = w->rest.begin;
    kind = dx_json_p_read_string(&w->rest);
    if (kind == DX_JSON_P_NO_STRING) return false;
    if (w->levels == DX_JSON_P_OUTERMOST) {
        if (kind == DX_JSON_P_ESCAPED) return false;
        DX_JSON_ASSERT(w->rest.begin - begin >= 2);
        w->name.begin = begin + 1;
        w->name.end = w->rest.begin - 1;
    }
    return dx_json_p_take(&w->rest, ':');
}

/* One step. False: not JSON, or too deep. */
static bool dx_json_p_step(struct dx_json_p_walk *w)
{
    const bool inside = w->levels > DX_JSON_P_OUTSIDE;
    const bool in_object = inside && (w->levels & 1);
    const char next = dx_json_p_peek(&w->rest);
    char c;
    DX_JSON_ASSERT(w->levels >= DX_JSON_P_OUTSIDE);
    if (inside && next == (in_object ? '}' : ']')) {
        w->rest.begin++;
        w->levels >>= 1;
        DX_JSON_ASSERT(w->levels >= DX_JSON_P_OUTSIDE);
        w->fresh = false;
        w->value.end = w->rest.begin;
        return true;
    }
    if (inside && !w->fresh && !dx_json_p_take(&w->rest, ',')) return false;
    if (in_object && !dx_json_p_read_name(w)) return false;
    c = dx_json_p_peek(&w->rest);
    if (w->levels == DX_JSON_P_OUTERMOST) w->value.begin = w->rest.begin;
    w->fresh = c == '{' || c == '[';
    if (w->fresh) {
        if (w->levels >> DX_JSON_LEVELS_MAX) return false;
        w->rest.begin++;
        w->levels = w->levels << 1 | (c == '{');
        return true;
    }
    if (!dx_json_p_read_scalar(&w->rest)) return false;
    w->value.end = w->rest.begin;
    return true;
}

/* Keep a member if its name is one of these. False: it comes for the second time. */
static bool dx_json_p_keep(const struct dx_json_p_walk *w, const char *const *names, size_t count,
                           dx_json_text *found)
{
    const size_t size = (size_t)(w->name.end - w->name.begin);
    size_t i;
    DX_JSON_ASSERT(w->name.begin <= w->name.end && w->value.begin < w->value.end);
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

DX_JSON_API int dx_json_find_members(const char *json, size_t size, const char *const *names,
                                     size_t count, dx_json_text *found)
{
    struct dx_json_p_walk w;
    if ((!json && size) || ((!names || !found) && count)) return DX_JSON_EINVAL;
    if (count) DX_JSON_MEMSET(found, 0, count * sizeof *found);
    if (!size) return DX_JSON_ECORRUPT;
    DX_JSON_MEMSET(&w, 0, sizeof w);
    w.rest.begin = json;
    w.rest.end = json + size;
    w.levels = DX_JSON_P_OUTSIDE;
    if (dx_json_p_peek(&w.rest) != '{') return DX_JSON_ECORRUPT;
    do {
        if (!dx_json_p_step(&w)) return DX_JSON_ECORRUPT;
        /* A member is complete behind a scalar and behind the end of a container. */
        if (w.fresh || w.levels != DX_JSON_P_OUTERMOST) continue;
        if (!dx_json_p_keep(&w, names, count, found)) return DX_JSON_ECORRUPT;
    } while (w.levels > DX_JSON_P_OUTSIDE);
    DX_JSON_ASSERT(w.levels == DX_JSON_P_OUTSIDE && w.rest.begin <= w.rest.end);
    (void)dx_json_p_peek(&w.rest);
    return w.rest.begin == w.rest.end ? DX_JSON_OK : DX_JSON_ECORRUPT;
}

/* >>values --------------------------------------------------------------
   Values that were found are compared where they stand, so that no memory is needed for decoded
   ones. That is why only one escape is understood: a string with another one, compared as it is
   written, would equal a text that it does not mean. */
DX_JSON_API bool dx_json_equals(const dx_json_text *value, const char *text)
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

DX_JSON_API bool dx_json_contains(const dx_json_text *value, const char *text)
{
    dx_json_text rest = *value;
    int level = 0; /* 1: directly in the array */
    if (!rest.begin || *rest.begin != '[') return dx_json_equals(value, text);
    while (rest.begin < rest.end) {
        dx_json_text one = rest;
        const char c = *rest.begin;
        if (c == '[' || c == '{') level++;
        if (c == ']' || c == '}') level--;
        if (c != '"' || dx_json_p_read_string(&rest) == DX_JSON_P_NO_STRING) rest.begin++;
        one.end = rest.begin;
        DX_JSON_ASSERT(one.begin < one.end && one.end <= value->end);
        if (level == 1 && dx_json_equals(&one, text)) return true;
    }
    return false;
}

DX_JSON_API int dx_json_read_integer(const dx_json_text *value, uint64_t *number)
{
    const uint64_t number_max = (uint64_t)1 << 53; /* what a double still counts exactly */
    const char *p;
    uint64_t n = 0;
    if (!value || !value->begin || !number) return DX_JSON_EINVAL;
    for (p = value->begin; p < value->end; p++) {
        if (!dx_json_p_is_digit(*p)) return DX_JSON_ECORRUPT;
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > number_max) return DX_JSON_ECORRUPT;
    }
    *number = n;
    return DX_JSON_OK;
}

#endif /* DX_JSON_IMPLEMENTATION */

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
