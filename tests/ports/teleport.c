/* Writes the records of docs/formats/teleport.md, reads them back at every base address, and prints their
   bytes and values: the same lines on every machine. Needs no C library: on a bare machine, ports/bare.c
   provides say() and the four memory functions. The schema also fits 16-bit machines, where it is only
   compiled. */
#define DX_TELEPORT_IMPLEMENTATION
#include "../../dx_teleport.h"

#ifdef BARE
void say(char letter); /* ports/bare.c, ports/wasm.js */
#else
#include <stdio.h>
static void say(char letter)
{
    putchar(letter);
}
#endif
int vectors(void);

#define USER(F, S, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
#define POINT(F, ...) F(f64, x) F(f64, y)
#define TIMESTAMP(F, ...) F(i64, secs) F(u32, nanos)
#define SERIES(F, S, A, L, ...) F(u8, channel) L(f32, values) L(u64, times)
#define PRICE(F, S, A, L, E, V, N, R, O, ...) F(i64, cents) E(u8, currency, 3) O(u16, discount)
#define TAG(F, S, A, L, E, V, N, R, O, ...) S(key) S(value)
#define ITEM(F, S, A, L, E, V, N, R, O, ...)                                                  \
    F(u8, kind) S(sku) N(price, 1, unit) R(tag, 1, tags) F(u32, quantity) O(f32, weight)
#define ORDER_1(F, S, A, L, E, V, N, R, O, ...)                                               \
    F(u64, id) N(user, 1, buyer) R(item, 1, items) O(bool, gift) R(price, 1, fees) S(note)
#define ORDER(F, S, A, L, E, V, N, R, O, ...)                                                 \
    F(u64, id) N(user, 1, buyer) R(item, 1, items) O(bool, gift) R(price, 1, fees) S(note)    \
    V(2) O(u64, parent) N(item, 1, bonus) R(order1, 1, history) L(u16, codes)
DX_TELEPORT_DEFINE(user, USER)
#ifndef NO_F64
DX_TELEPORT_DEFINE(point, POINT)
#endif
DX_TELEPORT_DEFINE(timestamp, TIMESTAMP)
DX_TELEPORT_DEFINE(series, SERIES)
DX_TELEPORT_DEFINE(price, PRICE)
DX_TELEPORT_DEFINE(tag, TAG)
DX_TELEPORT_DEFINE(item, ITEM)
DX_TELEPORT_DEFINE(order1, ORDER_1)
DX_TELEPORT_DEFINE(order, ORDER)

static int failed;
static uint64_t storage[64]; /* aligned, and room for every shift */

static void say_text(const char *text)
{
    while (*text) say(*text++);
}

static void say_hex(uint64_t number, int digits)
{
    while (digits--) say("0123456789abcdef"[number >> 4 * digits & 15]);
}

static void say_record(const char *name, const uint8_t *bytes, size_t size)
{
    size_t i;
    say_text(name);
    for (i = 0; i < size; i++) {
        say(' ');
        say_hex(bytes[i], 2);
    }
    say('\n');
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) >> 7 ^ hash << 13;
}

static uint64_t mix_text(uint64_t hash, dx_teleport_string s)
{
    size_t i;
    for (i = 0; i < s.size; i++) hash = mix(hash, (uint8_t)s.data[i]);
    return mix(hash, s.size);
}

static void expect(bool good, const char *what)
{
    if (good) return;
    failed = 1;
    say_text("WRONG: ");
    say_text(what);
    say('\n');
}

/* The record at every offset from an aligned address: all reads must agree. */
static void read_shifted(const char *name, const uint8_t *bytes, size_t size,
                         uint64_t (*digest)(const uint8_t *bytes, size_t size))
{
    uint8_t *base = (uint8_t *)storage;
    uint64_t first = 0;
    size_t shift, i;
    for (shift = 0; shift < 8; shift++) {
        uint64_t hash;
        for (i = 0; i < size; i++) base[shift + i] = bytes[i];
        hash = digest(base + shift, size);
        if (shift == 0) first = hash;
        expect(hash == first, name);
    }
    say_text(name);
    say_text(" reads ");
    say_hex(first, 16);
    say('\n');
}

static uint64_t digest_user(const uint8_t *bytes, size_t size)
{
    user_view v;
    if (user_open(&v, bytes, size)) return 0;
    return mix_text(mix(mix(user_get_id(&v), user_get_age(&v)), user_get_active(&v)),
                    user_get_name(&v));
}

static uint64_t digest_series(const uint8_t *bytes, size_t size)
{
    series_view v;
    uint64_t hash;
    uint32_t bits;
    float value = 0;
    size_t i;
    if (series_open(&v, bytes, size)) return 0;
    hash = series_get_channel(&v);
    for (i = 0; i < series_count_values(&v); i++) {
        series_copy_values(&v, i, &value, 1);
        DX_TELEPORT_MEMCPY(&bits, &value, sizeof bits);
        hash = mix(hash, bits);
    }
    for (i = 0; i < series_count_times(&v); i++) hash = mix(hash, series_at_times(&v, i));
    return hash;
}

static uint64_t digest_order(const uint8_t *bytes, size_t size)
{
    order_view v;
    user_view buyer;
    uint64_t hash;
    size_t i;
    if (order_open(&v, bytes, size)) return 0;
    buyer = order_get_buyer(&v);
    hash = mix_text(mix(order_get_id(&v), user_get_id(&buyer)), user_get_name(&buyer));
    for (i = 0; i <= order_count_items(&v); i++) { /* one beyond the end is a record of zeros */
        const item_view item = order_at_items(&v, i);
        const price_view unit = item_get_unit(&item);
        const tag_view tag = item_at_tags(&item, 0);
        hash = mix(mix_text(hash, item_get_sku(&item)), item_get_quantity(&item));
        hash = mix(mix(hash, (uint64_t)price_get_cents(&unit)), price_has_discount(&unit));
        hash = mix_text(hash, tag_get_key(&tag));
    }
    for (i = 0; i < order_count_codes(&v); i++) hash = mix(hash, order_at_codes(&v, i));
    return mix_text(mix(hash, order_has_gift(&v)), order_get_note(&v));
}

static size_t write_user(uint8_t *out, size_t capacity, unsigned flags)
{
    user_writer w;
    size_t size = 0;
    user_begin(&w, out, capacity, flags);
    user_set_id(&w, 7);
    user_put_name(&w, "Ann", 3);
    user_set_age(&w, 41);
    user_set_active(&w, true);
    expect(user_finish(&w, &size) == 0, "user");
    return size;
}

#ifndef NO_F64
static size_t write_point(uint8_t *out, size_t capacity)
{
    point_writer w;
    size_t size = 0;
    point_begin(&w, out, capacity, 0);
    point_set_x(&w, 1.5);
    point_set_y(&w, -2);
    expect(point_finish(&w, &size) == 0, "point");
    return size;
}
#endif

static size_t write_timestamp(uint8_t *out, size_t capacity)
{
    timestamp_writer w;
    size_t size = 0;
    timestamp_begin(&w, out, capacity, 0);
    timestamp_set_secs(&w, -1);
    timestamp_set_nanos(&w, 999999999);
    expect(timestamp_finish(&w, &size) == 0, "timestamp");
    return size;
}

static size_t write_series(uint8_t *out, size_t capacity)
{
    const float values[] = {0.5f, 1, -1};
    uint64_t times[2];
    series_writer w;
    size_t size = 0;
    times[0] = 1;
    times[1] = UINT64_C(1) << 63;
    series_begin(&w, out, capacity, 0);
    series_set_channel(&w, 3);
    series_put_values(&w, values, 3);
    series_put_times(&w, times, 2);
    expect(series_finish(&w, &size) == 0, "series");
    return size;
}

static void write_item(item_writer *item, bool second)
{
    price_writer price;
    tag_writer tag;
    item_put_sku(item, second ? "B-2" : "A-1", 3);
    item_begin_unit(item, &price);
    price_set_cents(&price, second ? 250 : -1);
    if (second) price_set_discount(&price, 0);
    item_end_unit(item, &price);
    item_add_tags(item, second ? 1 : 0);
    if (second) {
        item_begin_tags(item, 0, &tag);
        tag_put_key(&tag, "k", 1);
        item_end_tags(item, &tag);
    }
    item_set_quantity(item, second ? 2 : 1);
}

static size_t write_order(uint8_t *out, size_t capacity)
{
    const uint16_t codes[] = {7, 9};
    order_writer w;
    user_writer buyer;
    item_writer item;
    size_t size = 0, i;
    order_begin(&w, out, capacity, 0);
    order_set_id(&w, 5);
    order_begin_buyer(&w, &buyer);
    user_set_id(&buyer, 7);
    user_put_name(&buyer, "Ann", 3);
    order_end_buyer(&w, &buyer);
    order_add_items(&w, 2);
    for (i = 0; i < 2; i++) {
        order_begin_items(&w, i, &item);
        write_item(&item, i == 1);
        order_end_items(&w, &item);
    }
    order_set_gift(&w, false);
    order_put_note(&w, "hi", 2);
    order_put_codes(&w, codes, 2);
    expect(order_finish(&w, &size) == 0, "order");
    return size;
}

/* Flip every bit of the record: refused or read, and never a trap. */
static void flip_every_bit(const uint8_t *bytes, size_t size)
{
    uint8_t *base = (uint8_t *)storage + 1;
    unsigned refused = 0;
    size_t bit, i;
    for (i = 0; i < size; i++) base[i] = bytes[i];
    for (bit = 0; bit < 8 * size; bit++) {
        base[bit / 8] = (uint8_t)(base[bit / 8] ^ 1u << bit % 8);
        if (digest_order(base, size) == 0) refused++;
        base[bit / 8] = (uint8_t)(base[bit / 8] ^ 1u << bit % 8);
    }
    say_text("order refused ");
    say_hex(refused, 4);
    say('\n');
}

int vectors(void)
{
    static uint8_t out[400];
    size_t size;
    failed = 0;
    size = write_user(out, sizeof out, 0);
    say_record("user", out, size);
    read_shifted("user", out, size, digest_user);
    size = write_user(out, sizeof out, DX_TELEPORT_CRC);
    say_record("user-crc", out, size);
    read_shifted("user-crc", out, size, digest_user);
    say_record("user-bare", out, write_user(out, sizeof out, DX_TELEPORT_BARE));
#ifndef NO_F64
    say_record("point", out, write_point(out, sizeof out));
#endif
    say_record("timestamp", out, write_timestamp(out, sizeof out));
    size = write_series(out, sizeof out);
    say_record("series", out, size);
    read_shifted("series", out, size, digest_series);
    size = write_order(out, sizeof out);
    say_record("order", out, size);
    read_shifted("order", out, size, digest_order);
    flip_every_bit(out, size);
    say_text(failed ? "FAILED\n" : "done\n");
    return failed;
}

#ifndef BARE
int main(void)
{
    return vectors();
}
#endif
