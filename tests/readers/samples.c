/* Prints records for the readers in other languages, one per line: {"bare":VERSION or
   0,"type":output
   of describe,"hex":"bytes"} and the result of the reader in C: "value", the output of dump, or
   "error". usage:

   samples COUNT SEED      this many records, each valid once and then damaged several times
   samples vectors         the cases of tests/vectors/teleport_readers.json, with their names */
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"
#include "../../layers/dx_dump.h"
#include "../dx_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINT(F, S, A, L, E, V, N, R, O, ...) F(f64, x) F(f32, y) O(f64, z) O(u8, level)
DX_TELEPORT_DEFINE(point, POINT)
#define LEG(F, S, A, L, E, V, N, R, O, ...) S(label) N(point, 1, to) R(point, 1, via) L(u16, tags)
DX_TELEPORT_DEFINE(leg, LEG)
#define TRIP_1(F, S, A, L, E, V, N, R, O, ...)                                                \
    F(u64, id) S(name) E(u16, colour, 300) F(bool, active) F(i8, a) F(i16, b) F(i32, d)        \
    F(i64, e) A(f32, matrix, 4) R(leg, 1, legs)
#define TRIP(F, S, A, L, E, V, N, R, O, ...)                                                  \
    F(u64, id) S(name) E(u16, colour, 300) F(bool, active) F(i8, a) F(i16, b) F(i32, d)        \
    F(i64, e) A(f32, matrix, 4) R(leg, 1, legs)                                               \
    V(2) L(u64, times) L(f64, values) L(bool, flags) O(i64, best) S(note)
DX_TELEPORT_DEFINE(trip1, TRIP_1)
DX_TELEPORT_DEFINE(trip, TRIP)
DX_TELEPORT_FROZEN(point, POINT, 1, POINT)
DX_TELEPORT_FROZEN(leg, LEG, 1, LEG)
DX_TELEPORT_FROZEN(trip, TRIP, 1, TRIP_1)

static uint64_t state = 1;

static uint64_t draw(void) { return dx_test_random(&state); }

/* Few bits and many, integers and powers of two: the edge cases of number formatting. */
static double draw_double(void)
{
    uint64_t bits = draw();
    double value;
    switch (draw() % 5) {
    case 0: return (double)(int64_t)(draw() % 2000) / 8 - 100;
    case 1: return (double)draw();
    case 2: bits &= 0xfff0000000000000u; break;
    case 3: bits &= 0x800fffffffffffffu; break;
    default: break;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float draw_float(void)
{
    uint32_t bits = (uint32_t)draw();
    float value;
    if (draw() % 3 == 0) bits &= 0xff800000u;
    if (draw() % 3 == 0) bits &= 0x807fffffu;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static size_t draw_text(char *out)
{
    static const char *const parts[] = {"a", "\"", "\\", "\n", "\x7f", "\xc3\xa9", "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80", "</b>", "\x01", " z", "\xef\xbb\xbf"};
    out[0] = 0;
    for (uint64_t n = draw() % 6; n; n--) strcat(out, parts[draw() % 12]);
    return strlen(out);
}

static void fill_point(point_writer *w)
{
    point_set_x(w, draw_double());
    point_set_y(w, draw_float());
    if (draw() % 2) point_set_z(w, draw_double());
    if (draw() % 2) point_set_level(w, (uint8_t)draw());
}

static void fill_leg(leg_writer *w)
{
    char text[64];
    uint16_t tags[3] = {(uint16_t)draw(), 0, 65535};
    point_writer point;
    const size_t points = draw() % 3;
    leg_put_label(w, text, draw_text(text));
    leg_begin_to(w, &point);
    fill_point(&point);
    leg_end_to(w, &point);
    leg_add_via(w, points);
    for (size_t i = 0; i < points; i++) {
        leg_begin_via(w, i, &point);
        fill_point(&point);
        leg_end_via(w, &point);
    }
    leg_put_tags(w, tags, draw() % 4);
}

#define FILL_FIRST(p, w)                                                                      \
    char text[64];                                                                            \
    float matrix[4] = {draw_float(), draw_float(), draw_float(), draw_float()};               \
    const size_t legs = draw() % 4;                                                           \
    p##_set_id(w, draw() >> draw() % 64);                                                     \
    p##_put_name(w, text, draw_text(text));                                                   \
    p##_set_colour(w, (uint16_t)(draw() % 300));                                              \
    p##_set_active(w, draw() % 2 == 1);                                                       \
    p##_set_a(w, (int8_t)draw());                                                             \
    p##_set_b(w, (int16_t)draw());                                                            \
    p##_set_d(w, (int32_t)draw());                                                            \
    p##_set_e(w, draw() % 4 ? (int64_t)draw() : INT64_MIN);                                   \
    p##_set_matrix(w, matrix);                                                                \
    p##_add_legs(w, legs);                                                                    \
    for (size_t i = 0; i < legs; i++) {                                                       \
        leg_writer leg;                                                                       \
        p##_begin_legs(w, i, &leg);                                                           \
        fill_leg(&leg);                                                                       \
        p##_end_legs(w, &leg);                                                                \
    }

static void fill_trip1(trip1_writer *w)
{
    FILL_FIRST(trip1, w)
}

static void fill_trip(trip_writer *w)
{
    FILL_FIRST(trip, w)
    const uint64_t times[2] = {draw(), UINT64_MAX};
    const double values[3] = {draw_double(), draw_double(), draw_double()};
    const bool flags[3] = {true, false, true};
    trip_put_times(w, times, draw() % 3);
    trip_put_values(w, values, draw() % 4);
    trip_put_flags(w, flags, draw() % 4);
    if (draw() % 2) trip_set_best(w, (int64_t)draw());
    trip_put_note(w, text, draw_text(text));
}

/* >>lines --------------------------------------------------------------- */
/* How a line is read: by which version, and in what form. */
typedef struct form {
    bool     older; /* by version 1 of the type */
    unsigned bare;  /* 0: with header */
} form;

static const char *named; /* the case's name, or NULL */
static bool cut;          /* readers also try all shorter ones */

/* Open, and print the line. Every reader must get the same result. */
static int show(form f, const uint8_t *bytes, size_t size)
{
    static char text[1 << 20];
    const dx_teleport_type *type = f.older ? trip1_type() : trip_type();
    uint8_t *exact = malloc(size + 1);
    trip1_view old;
    trip_view now;
    size_t n;
    int error;
    memcpy(exact, bytes, size);
    if (f.older) error = f.bare ? trip1_open_bare(&old, exact, size, f.bare) : trip1_open(&old, exact, size);
    else error = f.bare ? trip_open_bare(&now, exact, size, f.bare) : trip_open(&now, exact, size);
    if (named) printf("{\"name\":\"%s\",\"type\":\"%s\"", named, type->name);
    else {
        if (dx_dump_schema(type, text, sizeof text, &n)) abort();
        printf("{%s\"type\":%.*s", cut ? "\"cut\":1," : "", (int)n, text);
    }
    printf(",\"bare\":%u,\"hex\":\"", f.bare);
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
    if (error) printf("\",\"error\":\"%s\"}\n", dx_teleport_error_name(error) + strlen("DX_TELEPORT_"));
    else {
        if (dx_dump_record(type, f.older ? trip1_any(&old) : trip_any(&now), text, sizeof text, &n)) abort();
        printf("\",\"value\":%.*s}\n", (int)n, text);
    }
    free(exact);
    return error;
}

/* >>damage -------------------------------------------------------------- */
static void store32(uint8_t *p, uint64_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t load32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void damage_once(uint8_t *bytes, size_t *size, bool header)
{
    static const uint8_t odd[] = {0, 1, 2, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff};
    static const uint32_t steps[] = {1, 2, 4, 8, 16, 0xffffffff, 0xfffffffe, 0xfffffffc, 0xfffffff8};
    const size_t words = *size / 4, first = header ? 6 : 0; /* mostly not the header */
    const size_t low = draw() % 8 && words > first ? first : 0;
    uint8_t *p = bytes + 4 * (low + draw() % (words - low));
    switch (draw() % 7) {
    case 0: bytes[draw() % *size] ^= (uint8_t)(1u << draw() % 8); break;
    case 1: bytes[4 * low + draw() % (*size - 4 * low)] = odd[draw() % sizeof odd]; break;
    case 2: store32(p, load32(p) + (uint64_t)steps[draw() % 9]); break;
    case 3: store32(p, draw() % 4 ? draw() % (*size + 8) : draw()); break;
    case 4: /* a reference replaces another */
        if (*size < 64) break;
        p = bytes + 4 * (first + draw() % (words - first - 1));
        memmove(p, bytes + 4 * (first + draw() % (words - first - 1)), 8);
        break;
    case 5:
        memset(bytes + *size, (int)(draw() % 2), 16);
        *size += draw() % 9;
        if (header && draw() % 4) store32(bytes + 4, *size);
        break;
    default:
        *size -= draw() % 9;
        if (header && draw() % 4) store32(bytes + 4, *size);
        break;
    }
}

static void damage(uint8_t *bytes, size_t *size, bool header)
{
    for (uint64_t n = 1 + draw() % 3; n && *size > 32; n--) damage_once(bytes, size, header);
    if (header && *size > 40 && bytes[22] & 1 && draw() % 8)
        dx_teleport_p_put_crc(bytes, (uint32_t)*size - 4);
}

static void random_lines(int count, int times)
{
    static uint8_t buf[65536], bad[65536];
    static const unsigned forms[] = {0, DX_TELEPORT_CRC, DX_TELEPORT_BARE};
    for (int k = 0; k < count; k++) {
        const unsigned flags = forms[draw() % 3];
        const bool old = draw() % 2 == 1, bare = flags == DX_TELEPORT_BARE;
        form f = {false, bare ? (old ? 1u : 2u) : 0};
        trip1_writer w1;
        trip_writer w2;
        size_t size = 0;
        trip1_begin(&w1, buf, sizeof buf, flags);
        if (old) fill_trip1(&w1);
        if (old && trip1_finish(&w1, &size)) abort();
        if (!old) trip_begin(&w2, buf, sizeof buf, flags);
        if (!old) fill_trip(&w2);
        if (!old && trip_finish(&w2, &size)) abort();
        cut = k < 40;
        if (show(f, buf, size)) abort();
        cut = false;
        f.older = true;
        if (!bare && show(f, buf, size)) abort();
        for (int i = 0; i < times; i++) {
            size_t now = size;
            memcpy(bad, buf, size);
            damage(bad, &now, !bare);
            f.older = draw() % 3 == 0;
            show(f, bad, now);
        }
    }
}

/* >>vectors ------------------------------------------------------------- */
static uint8_t base[4096];
static size_t  base_size;

static void fill_base_leg(leg_writer *w, bool full)
{
    static const uint16_t tags[2] = {1, 2};
    point_writer point;
    leg_put_label(w, "x", full ? 1 : 0);
    leg_add_via(w, full ? 2 : 0);
    for (size_t i = 0; i < (full ? 2u : 0u); i++) {
        leg_begin_via(w, i, &point);
        point_set_x(&point, 1.5);
        point_set_level(&point, 3);
        leg_end_via(w, &point);
    }
    leg_put_tags(w, tags, full ? 2 : 0);
}

/* A type that later lines refer to. */
static void define(const dx_teleport_type *type)
{
    char text[8192];
    size_t n;
    if (dx_dump_schema(type, text, sizeof text, &n)) abort();
    printf("{\"define\":\"%s\",\"type\":%.*s}\n", type->name, (int)n, text);
}

/* Every kind of field, not empty; also with flag CRC, or bare. */
static void make_base(unsigned flags)
{
    static const uint64_t times[2] = {7, 8};
    static const double values[1] = {0.5};
    static const bool marks[3] = {true, false, true};
    trip_writer w;
    leg_writer leg;
    trip_begin(&w, base, sizeof base, flags);
    trip_set_id(&w, 5);
    trip_put_name(&w, "Ann\xe2\x82\xac", 6);
    trip_set_active(&w, true);
    trip_add_legs(&w, 3);
    for (size_t i = 0; i < 3; i++) {
        trip_begin_legs(&w, i, &leg);
        fill_base_leg(&leg, i < 2);
        trip_end_legs(&w, &leg);
    }
    trip_put_times(&w, times, 2);
    trip_put_values(&w, values, 1);
    trip_put_flags(&w, marks, 3);
    trip_set_best(&w, -1);
    trip_put_note(&w, "hi", 2);
    if (trip_finish(&w, &base_size)) abort();
}

static void vector(const char *name, form f)
{
    named = name;
    show(f, base, base_size);
}

enum { ROOT = DX_TELEPORT_HEADER_SIZE + 8 };
/* One change to a valid record: `value` in `size` bytes at `at`. */
static void changed(const char *name, size_t at, unsigned size, uint64_t value)
{
    const form f = {false, 0};
    make_base(0);
    for (unsigned i = 0; i < size; i++) base[at + i] = (uint8_t)(value >> 8 * i);
    vector(name, f);
}

static uint32_t place(uint32_t field) { return load32(base + ROOT + field); }

static void header_vectors(void)
{
    const form f = {false, 0};
    changed("no magic", 0, 1, 'd');
    changed("format version 2", 3, 1, '2');
    changed("size too large", 4, 4, base_size + 1);
    changed("size too small", 4, 4, base_size - 1);
    changed("size of less than the record", 4, 4, ROOT);
    changed("layout of another type", 8, 1, 0x55);
    changed("layout of another version 1", 24, 1, 0x55);
    changed("record size of another version", 16, 4, trip_record_size + 8);
    changed("version 0", 20, 2, 0);
    changed("flag 2", 22, 2, 2);
    changed("flag CRC without one", 22, 2, 1);
    make_base(DX_TELEPORT_CRC);
    base[ROOT] ^= 1;
    vector("CRC differs", f);
    make_base(0);
    base_size = 23;
    vector("fewer bytes than a header", f);
    make_base(0);
    base[base_size++] = 0;
    vector("a byte behind", f);
    store32(base + 4, base_size);
    vector("a byte behind the last part", f);
}

static void reference_vectors(void)
{
    uint32_t legs, via, tags;
    make_base(0);
    legs = place(trip_offset_legs);
    via = load32(base + legs + leg_offset_via);
    tags = load32(base + legs + leg_offset_tags);
    changed("empty, with an offset", legs + 2 * leg_record_size + leg_offset_label, 4, 40);
    changed("offset in the record", ROOT + trip_offset_name, 4, ROOT);
    changed("offset behind the end", ROOT + trip_offset_note, 4, base_size + 1);
    changed("one byte too many", ROOT + trip_offset_note + 4, 4, 3);
    changed("count times size wraps in 32 bits", ROOT + trip_offset_times + 4, 4, 0x20000002);
    changed("offset plus size wraps in 32 bits", ROOT + trip_offset_note + 4, 4, 0xffffffff);
    changed("list points at itself", ROOT + trip_offset_legs, 4, ROOT + trip_offset_legs);
    changed("misaligned list", ROOT + trip_offset_times, 4, place(trip_offset_times) + 1);
    changed("fewer elements than bytes", ROOT + trip_offset_times + 4, 4, 1);
    changed("lists overlap: via of two legs", legs + leg_record_size + leg_offset_via, 8, (uint64_t)2 << 32 | via);
    changed("list overlaps its own records", legs + leg_offset_via, 8, (uint64_t)2 << 32 | legs);
    changed("parts out of order", legs + leg_offset_via, 4, tags);
    changed("a record more in a list", ROOT + trip_offset_legs + 4, 4, 4);
}

/* If lists could overlap, a few bytes would be any number of records: here all legs share one
   list. */
static void bomb_vector(void)
{
    const form f = {false, 0};
    trip_writer w;
    leg_writer leg;
    point_writer point;
    uint32_t legs;
    trip_begin(&w, base, sizeof base, 0);
    trip_add_legs(&w, 20);
    for (size_t i = 0; i < 20; i++) {
        trip_begin_legs(&w, i, &leg);
        leg_add_via(&leg, i == 0 ? 8 : 0);
        if (i == 0) {
            leg_begin_via(&leg, 0, &point);
            leg_end_via(&leg, &point);
        }
        trip_end_legs(&w, &leg);
    }
    if (trip_finish(&w, &base_size)) abort();
    legs = place(trip_offset_legs);
    for (uint32_t i = 1; i < 20; i++)
        memcpy(base + legs + i * leg_record_size + leg_offset_via, base + legs + leg_offset_via, 8);
    vector("twenty lists in the place of one", f);
}

static void value_vectors(void)
{
    const form f = {false, 0};
    uint32_t legs, via;
    make_base(0);
    legs = place(trip_offset_legs);
    via = load32(base + legs + leg_offset_via);
    changed("bool of 2", ROOT + trip_offset_active, 1, 2);
    changed("bool of 255 in a list", place(trip_offset_flags) + 1, 1, 255);
    changed("enumeration of its count", ROOT + trip_offset_colour, 2, 300);
    changed("enumeration of 299", ROOT + trip_offset_colour, 2, 299);
    changed("optional present is 2", via + point_offset_level, 1, 2);
    changed("optional missing, not zero", via + point_offset_level, 1, 0);
    changed("optional, padding", via + point_offset_z + 1, 1, 1);
    changed("padding before a field", via + point_offset_z - 1, 1, 1);
    changed("padding at the end of a record", via + point_record_size - 1, 1, 1);
    changed("padding between parts", place(trip_offset_times) - 1, 1, 1);
    changed("text: a byte that UTF-8 has not", place(trip_offset_note), 1, 0xff);
    changed("text: sequence cut by its end", place(trip_offset_note) + 1, 1, 0xc3);
    changed("text: overlong", place(trip_offset_note), 2, 0xafc0);
    changed("text: surrogate", place(trip_offset_name) + 3, 3, 0x80a0ed);
    changed("text: overlong of three", place(trip_offset_name) + 3, 3, 0x8080e0);
    changed("text: U+0000", place(trip_offset_note), 1, 0);
    changed("text: last of three bytes", place(trip_offset_name) + 3, 3, 0xbfbfef);
    make_base(DX_TELEPORT_CRC);
    vector("with CRC", f);
}

static void form_vectors(void)
{
    const form newest = {false, 0}, older = {true, 0}, bare = {false, 2}, older_bare = {true, 2};
    trip1_writer w;
    make_base(0);
    vector("every kind of field", newest);
    vector("newer than the reader", older);
    base[base_size++] = 7;
    store32(base + 4, base_size);
    vector("newer than the reader, more behind", older);
    make_base(0);
    store32(base + 16, trip1_record_size - 8);
    vector("newer than the reader, record too short", older);
    make_base(DX_TELEPORT_BARE);
    vector("bare", bare);
    vector("bare, newer than the reader", older_bare);
    base_size = trip_record_size - 1;
    vector("bare, too short", bare);
    trip1_begin(&w, base, sizeof base, 0);
    trip1_put_name(&w, "old", 3);
    if (trip1_finish(&w, &base_size)) abort();
    vector("older than the reader", newest);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "vectors") == 0) {
        define(trip_type());
        define(trip1_type());
        form_vectors();
        header_vectors();
        reference_vectors();
        bomb_vector();
        value_vectors();
    } else {
        if (argc > 2) state += strtoull(argv[2], NULL, 10);
        random_lines(argc > 1 ? atoi(argv[1]) : 1, 8);
    }
    return ferror(stdout) || fflush(stdout);
}
