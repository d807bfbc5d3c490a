/*  dx_dump.h - v0.3.0 - records and schemas of dx_teleport.h as JSON -
    MIT-0 or public domain, see end of file

    Two functions: the values of any record as JSON, for people, logs and tests; and the schema of a
    type as JSON, for readers in other languages. Both write into your buffer, need no other memory
    and no floating-point unit, and return the size of the text.

    Do this in ONE C or C++ file:

        #define DX_DUMP_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_dump.h"                  (includes dx_teleport.h, unless that was included)

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        #define READING(F, S, ...) F(i32, celsius) S(place)
        DX_TELEPORT_DEFINE(reading, READING)

        int main(void)
        {
            static const char expected[] = "{\"celsius\":-4,\"place\":\"Oslo\"}";
            uint8_t bytes[64];
            char    text[128];
            size_t  size = 0;
            size_t  length = 0;
            reading_writer w;
            reading_view   v;
            reading_begin(&w, bytes, sizeof bytes, 0);
            reading_set_celsius(&w, -4);
            reading_put_place(&w, "Oslo", 4);
            if (reading_finish(&w, &size) || reading_open(&v, bytes, size)) return 1;
            if (dx_dump_record(reading_type(), reading_any(&v), text, sizeof text, &length))
                return 2;
            return length == sizeof expected - 1 && memcmp(text, expected, length) == 0 ? 0 : 3;
        }

    CONTENTS (search >>)  config types api platform text big digits values record schema license

    GUARANTEES  Never allocates; no globals; never writes beyond the buffer. A record may change
                while it is dumped (shared memory): the text then shows any value, or the result is
                DX_DUMP_EREF, but nothing outside the record is accessed.
                Numbers have the shortest digits that read back as the same number, on every host,
                even without a floating-point type of that size.
    LIMITS      Recursion is as deep as the nesting of types, which the schema fixes. Integers of 64
                bits are written in full; a reader that converts numbers to doubles loses bits.
    SIZE        code: x86-64 4,166, Cortex-M0 2,769
    THREADS     Any number: the functions share nothing.
    CONFIG      DX_DUMP_STATIC, DX_DUMP_API, DX_DUMP_ASSERT(c)
    ERRORS      dx_dump_error: 0 = ok, negative = reason; dx_dump_error_name() returns its name.
    OWNERSHIP   The caller owns everything; nothing is kept after a call returns.
    FORMAT      The schema: docs/formats/teleport.md, section 8 (normative). The values: an object
                with the fields in order; records are objects, arrays and lists are arrays, an
                optional without a value is null, enumerations are numbers.
*/
#ifndef DX_DUMP_H
#define DX_DUMP_H

#define DX_DUMP_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_TELEPORT_H
#include "../dx_teleport.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_DUMP_API
  #ifdef DX_DUMP_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_DUMP_API static __attribute__((unused))
    #else
      #define DX_DUMP_API static
    #endif
  #else
    #define DX_DUMP_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
#define DX_DUMP_ERRORS(X)                                                                          \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)   /* an argument is missing, or the view is not open */                          \
    X(-3, ENOSPACE) /* the text is longer than the buffer; *size is its length */                  \
    X(-33, EREF)    /* the bytes changed since open: a reference is invalid now */

typedef enum dx_dump_error {
#define DX_DUMP_P_ENUM(value, constant) DX_DUMP_##constant = value,
    DX_DUMP_ERRORS(DX_DUMP_P_ENUM)
#undef DX_DUMP_P_ENUM
} dx_dump_error;

/* >>api ---------------------------------------------------------------- */
/* "DX_DUMP_ENOSPACE" and so on; "unknown error" for other numbers. */
DX_DUMP_API const char *dx_dump_error_name(int error);
/* The values of an open record: dx_dump_record(user_type(), user_any(&v), ...). Writes up to
   `capacity` bytes to out, not terminated; *size (may be NULL) receives the length of the whole
   text, with ENOSPACE too: query it with capacity 0. f32 and f64 values that JSON lacks are the
   strings "NaN", "Infinity" and "-Infinity". Fields newer than the data are omitted. */
DX_DUMP_API int dx_dump_record(const dx_teleport_type *type, const dx_teleport_view *v, char *out,
                               size_t capacity, size_t *size);
/* A type's schema: dx_dump_schema(user_type(), ...). Otherwise as above. */
DX_DUMP_API int dx_dump_schema(const dx_teleport_type *type, char *out, size_t capacity,
                               size_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_DUMP_H */

#if (defined(DX_DUMP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_DUMP_IMPLEMENTED)
#define DX_DUMP_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_DUMP_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_DUMP_ASSERT(c) assert(c)
  #else
    #define DX_DUMP_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

DX_DUMP_API const char *dx_dump_error_name(int error)
{
    switch (error) {
#define DX_DUMP_P_CASE(value, constant) case value: return "DX_DUMP_" #constant;
    DX_DUMP_ERRORS(DX_DUMP_P_CASE)
#undef DX_DUMP_P_CASE
    default: return "unknown error";
    }
}

/* >>text: output that counts what it cannot store --------------------------
   All output is appended to one of these. `size` keeps counting beyond the buffer's end, so one run
   returns both the text, if it fits, and its length. */
typedef struct dx_dump_p_text {
    char  *out;
    size_t capacity;
    size_t size;
} dx_dump_p_text;

static void dx_dump_p_char(dx_dump_p_text *t, unsigned c)
{
    if (t->size < t->capacity) t->out[t->size] = (char)c;
    t->size++;
}

static void dx_dump_p_chars(dx_dump_p_text *t, const char *s)
{
    DX_DUMP_ASSERT(s);
    for (; *s; s++) dx_dump_p_char(t, (unsigned char)*s);
}

static void dx_dump_p_decimal(dx_dump_p_text *t, uint64_t value)
{
    enum { DIGITS_MAX = 20 }; /* of 2^64 - 1 */
    char digits[DIGITS_MAX];
    size_t n = 0;
    do {
        DX_DUMP_ASSERT(n < DIGITS_MAX);
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n) dx_dump_p_char(t, (unsigned char)digits[--n]);
}

static void dx_dump_p_hex(dx_dump_p_text *t, uint64_t value, unsigned digits)
{
    DX_DUMP_ASSERT(digits <= 16);
    while (digits--) dx_dump_p_char(t, (unsigned char)"0123456789abcdef"[value >> 4 * digits & 15]);
}

/* JSON requires escapes for quotes, backslashes and control characters. DEL is escaped as well, to
   protect terminals. */
static void dx_dump_p_quoted(dx_dump_p_text *t, const uint8_t *s, size_t size)
{
    enum { SPACE = 32, DEL = 127 };
    dx_dump_p_char(t, '"');
    for (size_t i = 0; i < size; i++) {
        const unsigned c = s[i];
        if (c >= SPACE && c != '"' && c != '\\' && c != DEL) {
            dx_dump_p_char(t, c);
            continue;
        }
        dx_dump_p_chars(t, "\\u");
        dx_dump_p_hex(t, c, 4);
    }
    dx_dump_p_char(t, '"');
}

static void dx_dump_p_key(dx_dump_p_text *t, const char *name, bool first)
{
    dx_dump_p_chars(t, first ? "\"" : ",\"");
    dx_dump_p_chars(t, name);
    dx_dump_p_chars(t, "\":");
}

/* Set the result of both functions. */
static int dx_dump_p_end(const dx_dump_p_text *t, int error, size_t *size)
{
    if (size) *size = t->size;
    if (error) return error;
    return t->size > t->capacity ? DX_DUMP_ENOSPACE : DX_DUMP_OK;
}

/* >>big: exact integers -----------------------------------------------------
   The digits of a double can be found exactly with integers of 1152 bits: the largest double is
   below 2^1024, the smallest unit is 2^-1074, and a few bits of headroom hold the factors of the
   next section. They are arrays of 36 words of 32 bits, the lowest word first. */
enum { DX_DUMP_P_WORDS = 36 };
typedef struct dx_dump_p_big {
    uint32_t words[DX_DUMP_P_WORDS];
} dx_dump_p_big;

/* value x 2^shift */
static void dx_dump_p_big_set(dx_dump_p_big *b, uint64_t value, unsigned shift)
{
    const unsigned at = shift / 32;
    const unsigned bits = shift % 32;
    DX_DUMP_ASSERT(at + 2 < DX_DUMP_P_WORDS);
    for (size_t i = 0; i < DX_DUMP_P_WORDS; i++) b->words[i] = 0;
    b->words[at] = (uint32_t)(value << bits & UINT32_MAX);
    b->words[at + 1] = (uint32_t)(value << bits >> 32);
    if (bits) b->words[at + 2] = (uint32_t)(value >> (64 - bits));
}

static void dx_dump_p_big_times_ten(dx_dump_p_big *b)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < DX_DUMP_P_WORDS; i++) {
        carry += (uint64_t)b->words[i] * 10;
        b->words[i] = (uint32_t)(carry & UINT32_MAX);
        carry >>= 32;
    }
    DX_DUMP_ASSERT(carry == 0);
}

static void dx_dump_p_big_add(dx_dump_p_big *b, const dx_dump_p_big *other)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < DX_DUMP_P_WORDS; i++) {
        carry += (uint64_t)b->words[i] + other->words[i];
        b->words[i] = (uint32_t)(carry & UINT32_MAX);
        carry >>= 32;
    }
    DX_DUMP_ASSERT(carry == 0);
}

static void dx_dump_p_big_subtract(dx_dump_p_big *b, const dx_dump_p_big *other)
{
    uint32_t borrow = 0;
    for (size_t i = 0; i < DX_DUMP_P_WORDS; i++) {
        const uint64_t d = (uint64_t)b->words[i] - other->words[i] - borrow;
        b->words[i] = (uint32_t)(d & UINT32_MAX);
        borrow = (uint32_t)(d >> 63);
    }
    DX_DUMP_ASSERT(borrow == 0);
}

static int dx_dump_p_big_compare(const dx_dump_p_big *a, const dx_dump_p_big *b)
{
    for (size_t i = DX_DUMP_P_WORDS; i-- > 0;)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

/* a + b > c, or a + b >= c. */
static bool dx_dump_p_big_sum_exceeds(const dx_dump_p_big *a, const dx_dump_p_big *b,
                                      const dx_dump_p_big *c, bool or_equals)
{
    dx_dump_p_big sum = *a;
    int order;
    dx_dump_p_big_add(&sum, b);
    order = dx_dump_p_big_compare(&sum, c);
    return order > 0 || (or_equals && order == 0);
}

/* >>digits: the shortest decimal digits of a binary number ------------------
   A float or double represents all real numbers that are nearer to it than to its neighbours:

             lower                    value                    upper
        -------|----------------[-------|-------]----------------|-------
                                 <-low-> <-high->

   Any decimal number inside the brackets reads back as the same value; the shortest one is chosen,
   and among those the nearest to the value. (The brackets themselves are included if its last bit
   is even, because readers round to even.) Steele and White (1990) generate it digit by digit with
   exact integers, known as Dragon4:

        value = r / s,    low = half the distance to the lower neighbour, times s,    high likewise

   and each round takes the digit r / s, keeps the remainder, and multiplies r, low and high by 10,
   until the remainder is inside the brackets. At a power of two the lower neighbour is only half as
   far away (`at_edge`); all four are then twice as large, so that low remains an integer. */
typedef struct dx_dump_p_dragon {
    dx_dump_p_big r;
    dx_dump_p_big s;
    dx_dump_p_big low;
    dx_dump_p_big high;
    bool          even; /* the interval includes the brackets */
} dx_dump_p_dragon;

enum { DX_DUMP_P_DIGITS_MAX = 17 }; /* enough for any double */

static void dx_dump_p_dragon_begin(dx_dump_p_dragon *d, uint64_t mantissa, int exponent,
                                   bool at_edge)
{
    const unsigned up = exponent > 0 ? (unsigned)exponent : 0;
    const unsigned down = exponent < 0 ? (unsigned)-exponent : 0;
    const unsigned edge = at_edge ? 1 : 0;
    DX_DUMP_ASSERT(mantissa > 0);
    dx_dump_p_big_set(&d->r, mantissa, up + 1 + edge); /* + 1: low and high are halves */
    dx_dump_p_big_set(&d->s, 1, down + 1 + edge);
    dx_dump_p_big_set(&d->low, 1, up);
    dx_dump_p_big_set(&d->high, 1, up + edge);
    d->even = mantissa % 2 == 0;
}

static void dx_dump_p_dragon_times_ten(dx_dump_p_dragon *d)
{
    dx_dump_p_big_times_ten(&d->r);
    dx_dump_p_big_times_ten(&d->low);
    dx_dump_p_big_times_ten(&d->high);
}

/* Scale by powers of ten until the upper bracket is in 1 .. 10 (times s): then the first digit is
   r / s. Returns `point`: the value is 0.d1d2... x 10^point. */
static int dx_dump_p_dragon_scale(dx_dump_p_dragon *d)
{
    int point = 0;
    while (dx_dump_p_big_sum_exceeds(&d->r, &d->high, &d->s, d->even)) {
        dx_dump_p_big_times_ten(&d->s);
        point++;
    }
    dx_dump_p_dragon_times_ten(d);
    while (!dx_dump_p_big_sum_exceeds(&d->r, &d->high, &d->s, d->even)) {
        dx_dump_p_dragon_times_ten(d);
        point--;
    }
    return point;
}

/* The shortest digits of mantissa x 2^exponent, at most DX_DUMP_P_DIGITS_MAX; returns how many. */
static size_t dx_dump_p_shortest(uint64_t mantissa, int exponent, bool at_edge, char *digits,
                                 int *point)
{
    dx_dump_p_dragon d;
    size_t n = 0;
    dx_dump_p_dragon_begin(&d, mantissa, exponent, at_edge);
    *point = dx_dump_p_dragon_scale(&d);
    for (;;) {
        unsigned digit = 0;
        bool may_drop;  /* the digits up to here are inside the brackets, ... */
        bool may_raise; /* ... and so they are with the last one incremented */
        while (dx_dump_p_big_compare(&d.r, &d.s) >= 0) {
            dx_dump_p_big_subtract(&d.r, &d.s);
            digit++;
        }
        DX_DUMP_ASSERT(digit <= 9 && n < DX_DUMP_P_DIGITS_MAX);
        may_drop = dx_dump_p_big_compare(&d.r, &d.low) < (d.even ? 1 : 0);
        may_raise = dx_dump_p_big_sum_exceeds(&d.r, &d.high, &d.s, d.even);
        if (may_raise && (!may_drop || dx_dump_p_big_sum_exceeds(&d.r, &d.r, &d.s, true)))
            digit++; /* the nearer of the two */
        digits[n++] = (char)('0' + digit);
        if (may_drop || may_raise) return n;
        dx_dump_p_dragon_times_ten(&d);
    }
}

/* Write 0.d1d2... x 10^point like ECMAScript: 0.000001 to 1e21 without an exponent. */
static void dx_dump_p_digits(dx_dump_p_text *t, const char *digits, int count, int point)
{
    enum { PLAIN_POINT_MIN = -5, PLAIN_POINT_MAX = 21 };
    const bool plain = point >= PLAIN_POINT_MIN && point <= PLAIN_POINT_MAX;
    const int before = plain ? point : 1; /* digits before the decimal point */
    DX_DUMP_ASSERT(count > 0);
    if (before <= 0) dx_dump_p_chars(t, "0.");
    for (int i = before; i < 0; i++) dx_dump_p_char(t, '0');
    for (int i = 0; i < count || i < before; i++) {
        if (i == before && i > 0) dx_dump_p_char(t, '.');
        dx_dump_p_char(t, i < count ? (unsigned char)digits[i] : '0');
    }
    if (plain) return;
    dx_dump_p_chars(t, point > 0 ? "e+" : "e-");
    dx_dump_p_decimal(t, (uint64_t)(point > 0 ? point - 1 : 1 - point));
}

/* >>values ------------------------------------------------------------------
   An IEEE 754 number by its bits, so that no host needs the type:

        sign 1 | exponent 8 or 11 | fraction 23 or 52

   All ones in the exponent: infinity (fraction 0) or NaN. Zero in the exponent: subnormal, without
   the leading one and with the exponent of the next row. */
static void dx_dump_p_float(dx_dump_p_text *t, uint64_t bits, uint32_t size)
{
    const unsigned fraction_bits = size == 4 ? 23 : 52;
    const unsigned exponent_max = size == 4 ? 255 : 2047;
    const unsigned exponent = (unsigned)(bits >> fraction_bits) & exponent_max;
    const uint64_t one = UINT64_C(1) << fraction_bits;
    const uint64_t fraction = bits & (one - 1);
    const uint64_t mantissa = exponent ? fraction | one : fraction;
    const int scale = (int)(exponent ? exponent : 1) - (int)(exponent_max / 2 + fraction_bits);
    const bool negative = bits >> (8 * size - 1) & 1;
    char digits[DX_DUMP_P_DIGITS_MAX];
    size_t count;
    int point;
    DX_DUMP_ASSERT(size == 4 || size == 8);
    if (exponent == exponent_max && fraction) {
        dx_dump_p_chars(t, "\"NaN\"");
        return;
    }
    if (exponent == exponent_max) {
        dx_dump_p_chars(t, negative ? "\"-Infinity\"" : "\"Infinity\"");
        return;
    }
    if (negative) dx_dump_p_char(t, '-');
    if (!mantissa) {
        dx_dump_p_char(t, '0');
        return;
    }
    count = dx_dump_p_shortest(mantissa, scale, exponent > 1 && !fraction, digits, &point);
    dx_dump_p_digits(t, digits, (int)count, point);
}

/* Write the scalar of that code at p. */
static void dx_dump_p_scalar(dx_dump_p_text *t, unsigned code, const uint8_t *p)
{
    const unsigned type = code & 15;
    const uint32_t size = dx_teleport_ext_scalar_size(code);
    uint64_t value = dx_teleport_ext_scalar(code, p);
    DX_DUMP_ASSERT(size > 0);
    if (type == DX_TELEPORT_TYPE_F32 || type == DX_TELEPORT_TYPE_F64) {
        dx_dump_p_float(t, value, size);
        return;
    }
    if (type == DX_TELEPORT_TYPE_BOOL) {
        dx_dump_p_chars(t, value ? "true" : "false");
        return;
    }
    if (type >= DX_TELEPORT_TYPE_I8 && value >> (8 * size - 1)) { /* negative: its magnitude */
        dx_dump_p_char(t, '-');
        value = (0 - value) & (UINT64_MAX >> (64 - 8 * size));
    }
    dx_dump_p_decimal(t, value);
}

/* >>record ------------------------------------------------------------------
   A walk over the schema, field by field, in the order of the data's references. Nested records are
   walked in place:

        record ---- field, field, record(...), list -> [record(...), record(...)], field

   One error stops everything: the bytes changed since they were checked. */
typedef struct dx_dump_p_walk {
    dx_dump_p_text       text;
    dx_teleport_ext_walk ext;
    int                  error;
} dx_dump_p_walk;

/* Elements of a reference; *count is 0 after an error. */
static const uint8_t *dx_dump_p_follow(dx_dump_p_walk *w, const uint8_t *field, uint32_t unit,
                                       uint32_t *count)
{
    const uint8_t *data;
    const int error = dx_teleport_ext_follow(&w->ext, field, unit, &data, count);
    DX_DUMP_ASSERT(error == 0 || *count == 0);
    if (error) w->error = DX_DUMP_EREF;
    return data;
}

static void dx_dump_p_scalars(dx_dump_p_text *t, unsigned code, const uint8_t *p, uint32_t count)
{
    const uint32_t size = dx_teleport_ext_scalar_size(code);
    dx_dump_p_char(t, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i) dx_dump_p_char(t, ',');
        dx_dump_p_scalar(t, code, p + (size_t)i * size);
    }
    dx_dump_p_char(t, ']');
}

static void dx_dump_p_record(dx_dump_p_walk *w, const dx_teleport_type *type,
                             const uint8_t *record, unsigned version);

static void dx_dump_p_records(dx_dump_p_walk *w, const dx_teleport_type *type, const uint8_t *p,
                              uint32_t count)
{
    dx_dump_p_char(&w->text, '[');
    for (uint32_t i = 0; i < count && !w->error; i++) {
        if (i) dx_dump_p_char(&w->text, ',');
        dx_dump_p_record(w, type, p + (size_t)i * type->record_size, type->version);
    }
    dx_dump_p_char(&w->text, ']');
}

static void dx_dump_p_field(dx_dump_p_walk *w, const dx_teleport_field *f, const uint8_t *p)
{
    const dx_teleport_type *type = f->type ? f->type() : NULL;
    const uint32_t size = dx_teleport_ext_scalar_size(f->code);
    uint32_t count;
    switch (f->code >> 4) {
    case DX_TELEPORT_KIND_STRING:
        p = dx_dump_p_follow(w, p, 1, &count);
        dx_dump_p_quoted(&w->text, p, count);
        return;
    case DX_TELEPORT_KIND_ARRAY: dx_dump_p_scalars(&w->text, f->code, p, f->count); return;
    case DX_TELEPORT_KIND_LIST:
        p = dx_dump_p_follow(w, p, size, &count);
        dx_dump_p_scalars(&w->text, f->code, p, count);
        return;
    case DX_TELEPORT_KIND_RECORD: dx_dump_p_record(w, type, p, type->version); return;
    case DX_TELEPORT_KIND_RECORDS:
        p = dx_dump_p_follow(w, p, type->record_size, &count);
        dx_dump_p_records(w, type, p, count);
        return;
    case DX_TELEPORT_KIND_OPTIONAL: /* {has a value, padding, value} */
        if (*p) dx_dump_p_scalar(&w->text, f->code, p + size);
        else dx_dump_p_chars(&w->text, "null");
        return;
    default: dx_dump_p_scalar(&w->text, f->code, p); return;
    }
}

static void dx_dump_p_record(dx_dump_p_walk *w, const dx_teleport_type *type,
                             const uint8_t *record, unsigned version)
{
    dx_dump_p_char(&w->text, '{');
    for (uint32_t i = 0; i < type->count && !w->error; i++) {
        const dx_teleport_field *f = &type->fields[i];
        if (f->since > version) break; /* newer than the data, like all later ones */
        dx_dump_p_key(&w->text, f->name, i == 0);
        dx_dump_p_field(w, f, record + f->offset);
    }
    dx_dump_p_char(&w->text, '}');
}

DX_DUMP_API int dx_dump_record(const dx_teleport_type *type, const dx_teleport_view *v, char *out,
                               size_t capacity, size_t *size)
{
    dx_dump_p_walk w;
    if (!type || (!out && capacity)) return DX_DUMP_EINVAL;
    if (dx_teleport_ext_begin(&w.ext, v)) return DX_DUMP_EINVAL;
    w.text.out = out;
    w.text.capacity = capacity;
    w.text.size = 0;
    w.error = DX_DUMP_OK;
    dx_dump_p_record(&w, type, w.ext.record, w.ext.version);
    return dx_dump_p_end(&w.text, w.error, size);
}

/* >>schema ------------------------------------------------------------------
   A type as a reader in another language needs it; nested types are written in full at each use. */
static void dx_dump_p_type(dx_dump_p_text *t, const dx_teleport_type *type);

static void dx_dump_p_number(dx_dump_p_text *t, const char *name, uint32_t value)
{
    dx_dump_p_key(t, name, false);
    dx_dump_p_decimal(t, value);
}

static void dx_dump_p_name(dx_dump_p_text *t, const char *name)
{
    dx_dump_p_key(t, "name", true);
    dx_dump_p_char(t, '"');
    dx_dump_p_chars(t, name); /* a C identifier: no escapes */
    dx_dump_p_char(t, '"');
}

static void dx_dump_p_type_field(dx_dump_p_text *t, const dx_teleport_field *f)
{
    DX_DUMP_ASSERT(f->since > 0);
    dx_dump_p_char(t, '{');
    dx_dump_p_name(t, f->name);
    dx_dump_p_number(t, "code", f->code);
    dx_dump_p_number(t, "offset", f->offset);
    dx_dump_p_number(t, "count", f->count);
    dx_dump_p_number(t, "range", f->range);
    dx_dump_p_number(t, "since", f->since);
    if (f->type) {
        dx_dump_p_key(t, "type", false);
        dx_dump_p_type(t, f->type());
    }
    dx_dump_p_char(t, '}');
}

static void dx_dump_p_type(dx_dump_p_text *t, const dx_teleport_type *type)
{
    dx_dump_p_char(t, '{');
    dx_dump_p_name(t, type->name);
    dx_dump_p_number(t, "size", type->record_size);
    dx_dump_p_number(t, "align", type->record_align);
    dx_dump_p_key(t, "layouts", false);
    dx_dump_p_char(t, '[');
    for (unsigned version = 1; version <= type->version; version++) {
        dx_dump_p_chars(t, version > 1 ? ",\"" : "\"");
        dx_dump_p_hex(t, type->layout(version), 16);
        dx_dump_p_char(t, '"');
    }
    dx_dump_p_char(t, ']');
    dx_dump_p_key(t, "fields", false);
    dx_dump_p_char(t, '[');
    for (uint32_t i = 0; i < type->count; i++) {
        if (i) dx_dump_p_char(t, ',');
        dx_dump_p_type_field(t, &type->fields[i]);
    }
    dx_dump_p_chars(t, "]}");
}

DX_DUMP_API int dx_dump_schema(const dx_teleport_type *type, char *out, size_t capacity,
                               size_t *size)
{
    dx_dump_p_text t;
    if (!type || (!out && capacity)) return DX_DUMP_EINVAL;
    t.out = out;
    t.capacity = capacity;
    t.size = 0;
    dx_dump_p_type(&t, type);
    return dx_dump_p_end(&t, DX_DUMP_OK, size);
}

#ifdef __cplusplus
}
#endif
#endif /* DX_DUMP_IMPLEMENTATION */

/* >>license ---------------------------------------------------------------
This software is available under two licenses: choose whichever you prefer.
---------------------------------------------------------------------------
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
---------------------------------------------------------------------------
ALTERNATIVE B - Public domain (www.unlicense.org)
This is free and unencumbered software released into the public domain. Anyone is free to copy,
modify, publish, use, compile, sell, or distribute this software, either in source code form or as
a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
and all copyright interest in the software to the public domain. We make this dedication for the
benefit of the public at large and to the detriment of our heirs and successors. We intend this
dedication to be an overt act of relinquishment in perpetuity of all present and future rights to
this software under copyright law. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A
PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
