/* dx_dump.h: records and schemas as JSON; the shortest digits of numbers. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_dump.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>the types of docs/formats/teleport.md, section 7 ---------------------- */
#define POINT(F, ...) F(f64, x) F(f64, y)
DX_TELEPORT_DEFINE(point, POINT)
#define USER(F, S, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
DX_TELEPORT_DEFINE(user, USER)
#include "../teleport_orders.h"

DX_TEST(st_17_tp_9_dump_and_describe_say_what_there_is)
{
    static const char expected[] =
        "{\"id\":5,\"buyer\":{\"id\":7,\"name\":\"Ann\",\"age\":0,\"active\":false},\"items\":["
        "{\"kind\":0,\"sku\":\"A-1\",\"unit\":{\"cents\":-1,\"currency\":0,\"discount\":null},"
        "\"tags\":[],\"quantity\":1,\"weight\":null},"
        "{\"kind\":0,\"sku\":\"B-2\",\"unit\":{\"cents\":250,\"currency\":0,\"discount\":0},"
        "\"tags\":[{\"key\":\"k\",\"value\":\"\"}],\"quantity\":2,\"weight\":null}],"
        "\"gift\":false,\"fees\":[],\"note\":\"hi\",\"parent\":null,\"bonus\":{\"kind\":0,\"sku\":\"\","
        "\"unit\":{\"cents\":0,\"currency\":0,\"discount\":null},\"tags\":[],\"quantity\":0,"
        "\"weight\":null},\"history\":[],\"codes\":[7,9]}";
    static const char point_is[] =
        "{\"name\":\"point\",\"size\":16,\"align\":8,\"layouts\":[\"532263a6d75be4cc\"],\"fields\":["
        "{\"name\":\"x\",\"code\":10,\"offset\":0,\"count\":1,\"range\":0,\"since\":1},"
        "{\"name\":\"y\",\"code\":10,\"offset\":8,\"count\":1,\"range\":0,\"since\":1}]}";
    uint8_t buf[512];
    char text[1024];
    size_t n = 0, size = dx_test_vector("docs/formats/teleport.md", "order", buf, sizeof buf);
    order_view v;
    DX_CHECK_EQ(order_open(&v, buf, size), 0);
    DX_CHECK_EQ(dx_dump_record(order_type(), order_any(&v), text, sizeof text, &n), 0);
    DX_CHECK_EQ(n, sizeof expected - 1);
    DX_CHECK_MEM(text, expected, n);
    for (size_t room = 0; room < n; room++) { /* output beyond the room is counted, but not written */
        char *exact = malloc(room + 1);
        size_t all = 0;
        DX_CHECK_EQ(dx_dump_record(order_type(), order_any(&v), exact, room, &all), DX_DUMP_ENOSPACE);
        DX_CHECK_EQ(all, n);
        DX_CHECK_MEM(exact, expected, room);
        free(exact);
    }
    DX_CHECK_EQ(order_open(&v, buf, size - 1), DX_TELEPORT_ETRUNCATED);
    DX_CHECK_EQ(dx_dump_record(order_type(), order_any(&v), text, sizeof text, &n), DX_DUMP_EINVAL);
    DX_CHECK_EQ(dx_dump_schema(point_type(), NULL, 0, &n), DX_DUMP_ENOSPACE);
    DX_CHECK_EQ(dx_dump_schema(point_type(), text, n, &n), 0);
    DX_CHECK_EQ(n, sizeof point_is - 1);
    DX_CHECK_MEM(text, point_is, n);
    DX_CHECK_EQ(dx_dump_schema(NULL, text, 1, &n), DX_DUMP_EINVAL);
    DX_CHECK_EQ(dx_dump_schema(point_type(), NULL, 1, &n), DX_DUMP_EINVAL);
}

/* Digits that read back as the same number; fewer do not. */
DX_PROPERTY(tp_9_numbers_have_their_shortest_digits, 3000)
{
    uint8_t buf[64];
    char text[128], other[64];
    point_writer w;
    point_view v;
    size_t n, size;
    uint64_t bits = 0;
    double x, back;
    dx_choose_bytes(c, (uint8_t *)&bits, 8);
    if (dx_choose(c, 2) == 0) bits &= UINT64_C(0xfff0000000000000) | dx_choose(c, 3);
    if ((bits >> 52 & 2047) == 2047) bits ^= UINT64_C(1) << 61;
    memcpy(&x, &bits, 8);
    point_begin(&w, buf, sizeof buf, DX_TELEPORT_BARE);
    point_set_x(&w, x);
    DX_CHECK_EQ(point_finish(&w, &size), 0);
    DX_CHECK_EQ(point_open_bare(&v, buf, size, 0), 0);
    DX_CHECK_EQ(dx_dump_record(point_type(), point_any(&v), text, sizeof text - 1, &n), 0);
    text[n] = 0;
    back = strtod(text + 5, NULL);
    DX_CHECK_MEM(&back, &x, 8);
    for (int digits = 1; digits < 17; digits++) {
        size_t ours = 0;
        snprintf(other, sizeof other, "%.*e", digits - 1, x);
        if (strtod(other, NULL) != x) continue;
        for (char *p = text + 5; *p && *p != ',' && *p != 'e'; p++) ours += *p >= '0' && *p <= '9';
        if (!strchr(text, 'e')) break; /* zeros before the first digit and after the last */
        DX_CHECK(ours <= (size_t)digits);
        break;
    }
}

#define THING(F, S, A, L, E, V, N, R, O, ...) \
    F(u8, kind) O(bool, open) O(u8, level) O(i16, shift) O(u32, count) O(i64, best) O(f32, part) O(f64, all) S(name)
DX_TELEPORT_DEFINE(thing, THING)

static void check_dump(const uint8_t *bytes, size_t size, const char *want)
{
    char text[400];
    size_t length = 0;
    thing_view v;
    DX_CHECK_EQ(thing_open(&v, bytes, size), DX_TELEPORT_OK);
    DX_CHECK_EQ(dx_dump_record(thing_type(), thing_any(&v), text, sizeof text - 1, &length), DX_DUMP_OK);
    text[length] = 0;
    DX_CHECK_STR(text, want);
}

/* As JSON, an optional scalar of each size is its value or null. */
DX_TEST(tp_dump_of_optional_scalars)
{
    uint8_t bytes[200];
    thing_writer w;
    size_t size;
    DX_CHECK_EQ(thing_begin(&w, bytes, sizeof bytes, 0), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_set_kind(&w, 3), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_finish(&w, &size), DX_TELEPORT_OK);
    check_dump(bytes, size, "{\"kind\":3,\"open\":null,\"level\":null,\"shift\":null,\"count\":null,\"best\":null,"
                            "\"part\":null,\"all\":null,\"name\":\"\"}");
    DX_CHECK_EQ(thing_begin(&w, bytes, sizeof bytes, 0), DX_TELEPORT_OK);
    thing_set_open(&w, true);
    thing_set_level(&w, 255);
    thing_set_shift(&w, -32768);
    thing_set_count(&w, UINT32_MAX);
    thing_set_best(&w, INT64_MIN);
    thing_set_part(&w, 0.5f);
    thing_set_all(&w, -1.25);
    DX_CHECK_EQ(thing_put_name(&w, "x", 1), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_finish(&w, &size), DX_TELEPORT_OK);
    check_dump(bytes, size, "{\"kind\":0,\"open\":true,\"level\":255,\"shift\":-32768,\"count\":4294967295,"
                            "\"best\":-9223372036854775808,\"part\":0.5,\"all\":-1.25,\"name\":\"x\"}");
}

static void check_point(double x, const char *want)
{
    uint8_t bytes[64];
    char text[128];
    size_t size, length = 0;
    point_writer w;
    point_view v;
    point_begin(&w, bytes, sizeof bytes, 0);
    point_set_x(&w, x);
    DX_CHECK_EQ(point_finish(&w, &size), DX_TELEPORT_OK);
    DX_CHECK_EQ(point_open(&v, bytes, size), DX_TELEPORT_OK);
    DX_CHECK_EQ(dx_dump_record(point_type(), point_any(&v), text, sizeof text - 1, &length), DX_DUMP_OK);
    text[length] = 0;
    DX_CHECK_MEM(text, "{\"x\":", 5);
    DX_CHECK_MEM(text + 5, want, strlen(want));
    DX_CHECK_EQ(text[5 + strlen(want)], ',');
}

/* The ends of plain notation on both sides, both ends of the format, neighbours of a power of two. */
DX_TEST(tp_9_numbers_as_ecmascript_writes_them)
{
    check_point(0, "0");
    check_point(-0.0, "-0");
    check_point(0.1, "0.1");
    check_point(-1.5, "-1.5");
    check_point(100, "100");
    check_point(0.000001, "0.000001");
    check_point(0.0000001, "1e-7");
    check_point(0.00000123, "0.00000123");
    check_point(0.000000123, "1.23e-7");
    check_point(123456789012345680000.0, "123456789012345680000");
    check_point(1e21, "1e+21");
    check_point(1.5e300, "1.5e+300");
    check_point(5e-324, "5e-324");
    check_point(2.2250738585072014e-308, "2.2250738585072014e-308");
    check_point(1.7976931348623157e308, "1.7976931348623157e+308");
    check_point(9007199254740992.0, "9007199254740992");
    check_point(9007199254740994.0, "9007199254740994");
    check_point(9.5367431640625e-7, "9.5367431640625e-7");
    check_point(1.0 / 0.0, "\"Infinity\"");
    check_point(-1.0 / 0.0, "\"-Infinity\"");
    check_point(strtod("nan", NULL), "\"NaN\"");
}

static void check_part(float x, const char *want)
{
    uint8_t bytes[200];
    char text[400];
    size_t size, length = 0;
    thing_writer w;
    thing_view v;
    thing_begin(&w, bytes, sizeof bytes, 0);
    thing_set_part(&w, x);
    DX_CHECK_EQ(thing_finish(&w, &size), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_open(&v, bytes, size), DX_TELEPORT_OK);
    DX_CHECK_EQ(dx_dump_record(thing_type(), thing_any(&v), text, sizeof text - 1, &length), DX_DUMP_OK);
    text[length] = 0;
    const char *const part = strstr(text, "\"part\":");
    DX_CHECK(part != NULL);
    DX_CHECK_MEM(part + 7, want, strlen(want));
    DX_CHECK_EQ(part[7 + strlen(want)], ',');
}

/* Decimal numbers exactly between two binary ones read back as the even one, so they may represent it. */
DX_TEST(tp_9_ties_belong_to_the_even_number)
{
    check_point(1e23, "1e+23");
    check_point(9.5e22, "9.5e+22");
    check_part(3.355445e7f, "33554450");
    check_part(8.999999e9f, "9000000000");
    check_part(3.4366717e10f, "34366720000");
}

/* Every power of two of f32 and its neighbours: at most nine digits, and they read back. */
DX_TEST(tp_9_powers_of_two_of_f32)
{
    for (uint32_t exponent = 1; exponent < 255; exponent++)
        for (uint32_t step = 0; step < 3; step++) {
            const uint32_t bits = (exponent << 23) + step - 1;
            uint8_t bytes[200];
            char text[400], *part;
            size_t size, length = 0;
            thing_writer w;
            thing_view v;
            float value, back;
            memcpy(&value, &bits, 4);
            thing_begin(&w, bytes, sizeof bytes, 0);
            thing_set_part(&w, value);
            DX_CHECK_EQ(thing_finish(&w, &size), DX_TELEPORT_OK);
            DX_CHECK_EQ(thing_open(&v, bytes, size), DX_TELEPORT_OK);
            DX_CHECK_EQ(dx_dump_record(thing_type(), thing_any(&v), text, sizeof text - 1, &length), DX_DUMP_OK);
            text[length] = 0;
            part = strstr(text, "\"part\":");
            DX_CHECK(part != NULL);
            back = strtof(part + 7, NULL);
            DX_CHECK_MEM(&back, &value, 4);
        }
}

/* A name's content is data: quotes, backslashes and control characters are escaped, nothing else. */
DX_TEST(tp_9_text_is_escaped)
{
    static const char name[] = "\"\\\n\x1f\x7f /\xc3\xa9";
    static const char want[] = "\"name\":\"\\u0022\\u005c\\u000a\\u001f\\u007f /\xc3\xa9\"}";
    uint8_t bytes[200];
    char text[400];
    size_t size, length = 0;
    thing_writer w;
    thing_view v;
    thing_begin(&w, bytes, sizeof bytes, 0);
    DX_CHECK_EQ(thing_put_name(&w, name, sizeof name - 1), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_finish(&w, &size), DX_TELEPORT_OK);
    DX_CHECK_EQ(thing_open(&v, bytes, size), DX_TELEPORT_OK);
    DX_CHECK_EQ(dx_dump_record(thing_type(), thing_any(&v), text, sizeof text, &length), DX_DUMP_OK);
    DX_CHECK(length > sizeof want);
    DX_CHECK_MEM(text + length - (sizeof want - 1), want, sizeof want - 1);
}

/* References that change after open lead to an error, never out of bounds. */
DX_TEST(tp_9_a_record_that_changed_since_open)
{
    uint8_t bytes[512];
    char text[2048];
    const size_t size = dx_test_vector("docs/formats/teleport.md", "order", bytes, sizeof bytes);
    size_t refused = 0;
    order_view v;
    DX_CHECK_EQ(order_open(&v, bytes, size), DX_TELEPORT_OK);
    for (size_t at = 32; at + 4 <= size; at += 4) { /* after the header of version 2 */
        uint8_t *exact = malloc(size);
        int error;
        memcpy(exact, bytes, size);
        DX_CHECK_EQ(order_open(&v, exact, size), DX_TELEPORT_OK);
        memset(exact + at, 0x7f, 4);
        error = dx_dump_record(order_type(), order_any(&v), text, sizeof text, NULL);
        DX_CHECK(error == DX_DUMP_OK || error == DX_DUMP_ENOSPACE || error == DX_DUMP_EREF);
        refused += error == DX_DUMP_EREF;
        free(exact);
    }
    DX_CHECK(refused >= 10);
}

DX_TEST(tp_9_dump_error_names)
{
    DX_CHECK_STR(dx_dump_error_name(DX_DUMP_OK), "DX_DUMP_OK");
    DX_CHECK_STR(dx_dump_error_name(DX_DUMP_EREF), "DX_DUMP_EREF");
    DX_CHECK_EQ(DX_DUMP_EREF, DX_TELEPORT_EREF);
    DX_CHECK_STR(dx_dump_error_name(-2), "unknown error");
    DX_CHECK_STR(dx_dump_error_name(1), "unknown error");
}
