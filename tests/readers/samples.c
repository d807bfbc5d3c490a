/* Prints records for the readers in other languages, a line each: {"bare":VERSION or 0,"type":what
   describe says,"hex":"bytes","value":what dump says}. usage: samples COUNT */
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"
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

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1du;
}

/* Few bits and many, whole numbers and powers of two: what formats numbers has edges there. */
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

static void show(unsigned bare, const dx_teleport_type *type, const uint8_t *bytes, size_t size,
                 const trip_view *v)
{
    static char text[65536];
    size_t n;
    if (dx_teleport_describe(type, text, sizeof text, &n)) abort();
    printf("{\"bare\":%u,\"type\":%.*s,\"hex\":\"", bare, (int)n, text);
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
    if (trip_dump(v, text, sizeof text, &n)) abort();
    printf("\",\"value\":%.*s}\n", (int)n, text);
}

int main(int argc, char **argv)
{
    static uint8_t buf[65536];
    for (int count = argc > 1 ? atoi(argv[1]) : 1; count; count--) {
        static const unsigned forms[] = {0, DX_TELEPORT_CRC, DX_TELEPORT_BARE};
        const unsigned flags = forms[draw() % 3];
        const bool old = draw() % 2 == 1, bare = flags == DX_TELEPORT_BARE;
        trip1_writer w1;
        trip_writer w2;
        trip_view v;
        size_t size = 0;
        trip1_begin(&w1, buf, sizeof buf, flags);
        if (old) fill_trip1(&w1);
        if (old && trip1_finish(&w1, &size)) abort();
        if (!old) trip_begin(&w2, buf, sizeof buf, flags);
        if (!old) fill_trip(&w2);
        if (!old && trip_finish(&w2, &size)) abort();
        if (bare ? trip_open_bare(&v, buf, size, old ? 1 : 2) : trip_open(&v, buf, size)) abort();
        show(bare ? (old ? 1 : 2) : 0, trip_type(), buf, size, &v);
        if (!old && !bare) { /* what an older reader makes of it: only that it opens */
            trip1_view v1;
            if (trip1_open(&v1, buf, size)) abort();
        }
    }
    return ferror(stdout) || fflush(stdout);
}
