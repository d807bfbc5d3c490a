/* dx_teleport.h with a hostile peer (tests/dx_peer_sim.h), which changes any byte of a record between any two
   loads of the reader, a writer or the walk in layers/dx_dump.h. */
#define DX_TEST_MAIN
#include "../dx_peer_sim.h"
#define DX_IMPLEMENTATION
#include <assert.h>
#define DX_TELEPORT_ASSERT(c) assert(c) /* in inline functions, too */
#include "../../dx_teleport.h"
#include "../../layers/dx_dump.h"

/* >>records ------------------------------------------------------------- */
#define POINT(F, S, A, L, E, V, N, R, O, ...) F(f64, x) F(f32, y) O(f64, z) O(bool, level)
DX_TELEPORT_DEFINE(point, POINT)
#define LEG(F, S, A, L, E, V, N, R, O, ...)                                                   \
    S(label) N(point, 1, to) R(point, 1, via) L(u16, tags) L(bool, marks) F(u8, last)
DX_TELEPORT_DEFINE(leg, LEG)
#define TRIP_1(F, S, A, L, E, V, N, R, O, ...)                                                \
    F(u64, id) S(name) E(u16, colour, 300) F(bool, active) A(bool, days, 7) L(bool, flags)    \
    R(leg, 1, legs) L(u8, raw) N(leg, 1, home)
#define TRIP(F, S, A, L, E, V, N, R, O, ...)                                                  \
    F(u64, id) S(name) E(u16, colour, 300) F(bool, active) A(bool, days, 7) L(bool, flags)    \
    R(leg, 1, legs) L(u8, raw) N(leg, 1, home)                                                \
    V(2) L(u64, times) O(i64, best) S(note) R(point, 1, track) L(bool, more)
DX_TELEPORT_DEFINE(trip1, TRIP_1)
DX_TELEPORT_DEFINE(trip, TRIP)

static void fill_point(point_writer *w)
{
    point_set_x(w, (double)peer_below(1000));
    point_set_y(w, (float)peer_below(1000));
    if (peer_below(2)) point_set_z(w, 1);
    if (peer_below(2)) point_set_level(w, peer_below(2) == 1);
}

static const char *draw_text(size_t *size)
{
    static const char text[] = "a text of some bytes, which is ASCII \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t ends[] = {0, 1, 3, 7, 8, 9, 16, 17, 33, 37, 39, 42, 46};
    *size = ends[peer_below(13)];
    return text;
}

static void fill_leg(leg_writer *w)
{
    static const uint16_t tags[5] = {1, 2, 3, 4, 5};
    static const bool marks[40] = {true, false, true};
    const uint32_t points = peer_below(4);
    const char *text;
    size_t size;
    point_writer point;
    text = draw_text(&size);
    leg_put_label(w, text, size);
    leg_begin_to(w, &point);
    fill_point(&point);
    leg_end_to(w, &point);
    leg_add_via(w, points);
    for (uint32_t i = 0; i < points; i++) {
        leg_begin_via(w, i, &point);
        fill_point(&point);
        leg_end_via(w, &point);
    }
    leg_put_tags(w, tags, peer_below(6));
    leg_put_marks(w, marks, peer_below(41));
    leg_set_last(w, 9);
}

/* Fields that both versions have; trip or trip1. */
#define FILL_FIRST(p, w)                                                                      \
    static const bool days[40] = {true, false, false, true};                                  \
    const uint32_t legs = peer_below(4);                                                      \
    leg_writer leg;                                                                           \
    size_t size;                                                                              \
    const char *text = draw_text(&size);                                                      \
    p##_set_id(w, peer_draw());                                                               \
    p##_put_name(w, text, size);                                                              \
    p##_set_colour(w, (uint16_t)peer_below(300));                                             \
    p##_set_active(w, true);                                                                  \
    p##_set_days(w, days);                                                                    \
    p##_put_flags(w, days, peer_below(41));                                                   \
    p##_add_legs(w, legs);                                                                    \
    for (uint32_t i = 0; i < legs; i++) {                                                     \
        p##_begin_legs(w, i, &leg);                                                           \
        fill_leg(&leg);                                                                       \
        p##_end_legs(w, &leg);                                                                \
    }                                                                                         \
    p##_put_raw(w, (const uint8_t *)text, peer_below(9));                                     \
    p##_begin_home(w, &leg);                                                                  \
    fill_leg(&leg);                                                                           \
    p##_end_home(w, &leg);

static void fill_trip1(trip1_writer *w) { FILL_FIRST(trip1, w) }

static void fill_trip(trip_writer *w)
{
    static const uint64_t times[3] = {1, 2, 3};
    const uint32_t points = peer_below(4);
    point_writer point;
    FILL_FIRST(trip, w)
    trip_put_times(w, times, peer_below(4));
    if (peer_below(2)) trip_set_best(w, -1);
    text = draw_text(&size);
    trip_put_note(w, text, size);
    trip_add_track(w, points);
    for (uint32_t i = 0; i < points; i++) {
        trip_begin_track(w, i, &point);
        fill_point(&point);
        trip_end_track(w, &point);
    }
    trip_put_more(w, days, peer_below(41));
}

static size_t write_trip(uint8_t *out, size_t capacity, unsigned flags, bool old)
{
    trip_writer w;
    trip1_writer w1;
    size_t size = 0;
    if (old) {
        trip1_begin(&w1, out, capacity, flags);
        fill_trip1(&w1);
        DX_CHECK_EQ(trip1_finish(&w1, &size), 0);
    } else {
        trip_begin(&w, out, capacity, flags);
        fill_trip(&w);
        DX_CHECK_EQ(trip_finish(&w, &size), 0);
    }
    return size;
}

static uint64_t sum_point(const point_view *v)
{
    uint64_t sum = point_get_x(v) > point_get_y(v);
    return sum + point_has_z(v) + (point_get_z(v) > 1) + point_get_level(v);
}

static uint64_t sum_leg(const leg_view *v)
{
    point_view to = leg_get_to(v);
    uint64_t sum = sum_point(&to) + leg_get_last(v);
    sum += sum_bytes(leg_get_label(v).data, leg_get_label(v).size);
    for (size_t i = 0; i < leg_count_via(v); i++) {
        to = leg_at_via(v, i);
        sum += sum_point(&to);
    }
    for (size_t i = 0; i < leg_count_tags(v); i++) sum += leg_at_tags(v, i);
    for (size_t i = 0; i < leg_count_marks(v); i++) sum += leg_at_marks(v, i);
    return sum;
}

/* All fields: for bytes that nobody changes. */
static uint64_t sum_trip(const trip_view *v)
{
    leg_view leg = trip_get_home(v);
    point_view point;
    uint64_t sum = trip_get_id(v) + trip_get_colour(v) + trip_get_active(v) + sum_leg(&leg);
    uint64_t times[4];
    sum += sum_bytes(trip_get_name(v).data, trip_get_name(v).size);
    sum += sum_bytes(trip_get_note(v).data, trip_get_note(v).size);
    for (size_t i = 0; i < trip_count_days(v); i++) sum += trip_at_days(v, i);
    for (size_t i = 0; i < trip_count_flags(v); i++) sum += trip_at_flags(v, i);
    for (size_t i = 0; i < trip_count_more(v); i++) sum += trip_at_more(v, i);
    for (size_t i = 0; i < trip_count_legs(v); i++) {
        leg = trip_at_legs(v, i);
        sum += sum_leg(&leg);
    }
    for (size_t i = 0; i < trip_count_track(v); i++) {
        point = trip_at_track(v, i);
        sum += sum_point(&point);
    }
    sum += sum_bytes(trip_data_raw(v), trip_count_raw(v));
    for (size_t i = 0; i < trip_copy_times(v, 0, times, 4); i++) sum += times[i];
    return sum + (uint64_t)trip_get_best(v);
}

/* Fields that may be read while the bytes change, because their place in the record is fixed. */
static uint64_t sum_in_place(const trip_view *v)
{
    const leg_view home = trip_get_home(v);
    const point_view to = leg_get_to(&home);
    uint64_t sum = trip_get_id(v) + trip_get_colour(v) + trip_get_active(v);
    for (size_t i = 0; i < trip_count_days(v); i++) sum += trip_at_days(v, i);
    return sum + (uint64_t)trip_get_best(v) + trip_has_best(v) + sum_point(&to) + leg_get_last(&home);
}

enum { OPEN, OPEN_OLDER, PEEK, DUMP, EDIT, COPY, OPERATIONS };

static int open_trip(trip_view *v, const uint8_t *bytes, size_t size, unsigned flags, bool old)
{
    return flags & DX_TELEPORT_BARE ? trip_open_bare(v, bytes, size, old ? 1 : 2)
                                    : trip_open(v, bytes, size);
}

static void edit_trip(uint8_t *bytes, size_t size, unsigned flags, bool old)
{
    trip_writer w;
    leg_writer leg;
    point_writer point;
    const int error = flags & DX_TELEPORT_BARE ? trip_edit_bare(&w, bytes, size, old ? 1 : 2)
                                               : trip_edit(&w, bytes, size);
    if (error) return;
    trip_set_id(&w, 1);
    trip_set_best(&w, 2);
    for (size_t i = 0; i < 3; i++) {
        if (trip_begin_legs(&w, i, &leg)) continue;
        leg_set_last(&leg, 3);
        if (leg_begin_via(&leg, i, &point) == 0) {
            point_set_z(&point, 4);
            leg_end_via(&leg, &point);
        }
        trip_end_legs(&w, &leg);
    }
    trip_finish(&w, &size);
}

/* Copy first: the opened bytes are private, and all of them can be trusted. */
static void read_a_copy(const uint8_t *bytes, size_t size, unsigned flags, bool old)
{
    uint8_t *ours = malloc(size);
    trip_view v;
    DX_TELEPORT_MEMCPY(ours, bytes, size);
    if (open_trip(&v, ours, size, flags, old) == 0) DX_CHECK_EQ(sum_trip(&v), sum_trip(&v));
    free(ours);
}

static uint64_t opened;

static void operate(unsigned operation, uint8_t *bytes, size_t size, unsigned flags, bool old)
{
    static char text[1 << 16];
    dx_teleport_info info;
    trip_view v;
    trip1_view v1;
    size_t n;
    switch (operation) {
    case OPEN:
    case DUMP:
        if (open_trip(&v, bytes, size, flags, old)) {
            DX_CHECK(trip_fault(&v)->field != NULL);
            return;
        }
        opened++;
        sink = operation == OPEN ? sum_in_place(&v) : (uint64_t)dx_dump_record(trip_type(), trip_any(&v), text, sizeof text, &n);
        return;
    case OPEN_OLDER: sink = (uint64_t)trip1_open(&v1, bytes, size); return;
    case PEEK:
        if (dx_teleport_peek(bytes, size, &info) == 0)
            DX_CHECK(info.size >= DX_TELEPORT_HEADER_SIZE && info.version);
        return;
    case EDIT: edit_trip(bytes, size, flags, old); return;
    default: read_a_copy(bytes, size, flags, old); return;
    }
}

/* Work is bounded by the size: each byte is read a few times at most. */
static void check_work(size_t size) { DX_CHECK(peer.loads <= 64 * (uint64_t)size + 4096); }

DX_PROPERTY(tp_5_a_peer_writes_while_a_record_is_read, 20000)
{
    static const unsigned forms[] = {0, DX_TELEPORT_CRC, DX_TELEPORT_BARE};
    static uint8_t buf[ROOM];
    const unsigned flags = forms[dx_choose(c, 2)];
    const bool old = dx_choose(c, 1) == 1;
    uint8_t *bytes;
    size_t size;
    peer_begin_run(c, false);
    opened = 0;
    size = write_trip(buf, sizeof buf, flags, old);
    bytes = peer_share(buf, size);
    for (unsigned operation = 0; operation < OPERATIONS; operation++) {
        peer_begin(true);
        operate(operation, bytes, size, flags, old);
        peer_end();
        check_work(size);
    }
    peer_begin(false);
    operate(OPEN, bytes, size, flags, old);
    DX_CHECK(opened > 0); /* the same bytes, unchanged */
}

/* The fixed part of a record is in memory that the other end of a ring can write, too. */
DX_PROPERTY(rb_5_a_peer_writes_while_a_record_is_written, 10000)
{
    static uint8_t buf[ROOM];
    const unsigned flags = dx_choose(c, 1) ? DX_TELEPORT_CRC : 0;
    uint64_t state;
    trip_writer w;
    size_t size, again = 0;
    uint8_t *bytes;
    peer_begin_run(c, false);
    state = peer.state;
    size = write_trip(buf, sizeof buf, flags, false);
    bytes = peer_share(buf, size);
    peer.ring = true; /* our stores stay, unless the peer changes them */
    peer_begin(true);
    trip_begin(&w, bytes, size, flags);
    if (dx_choose(c, 1)) peer.state = state; /* the same record, or another one, which may not fit */
    fill_trip(&w);
    trip_finish(&w, &again);
    peer_end();
    DX_CHECK(again <= size);
    check_work(size);
}

/* Arbitrary bytes, at any alignment. */
DX_PROPERTY(tp_5_a_peer_and_arbitrary_bytes, 10000)
{
    static uint8_t buf[ROOM];
    const unsigned flags = dx_choose(c, 1) ? DX_TELEPORT_BARE : 0;
    size_t size;
    uint8_t *bytes;
    peer_begin_run(c, false);
    size = write_trip(buf, sizeof buf, flags, false);
    for (uint64_t n = dx_choose(c, 12); n; n--) {
        const size_t at = (size_t)dx_choose(c, size - 1);
        buf[at] = (uint8_t)peer_draw();
    }
    size -= (size_t)dx_choose(c, size - 1);
    bytes = peer_share(buf, size);
    for (unsigned operation = 0; operation < OPERATIONS; operation++) {
        peer_begin(true);
        operate(operation, bytes, size, flags, false);
        peer_end();
        check_work(size);
    }
}

DX_TEST(tp_5_the_peer_was_busy)
{
    if (getenv("DX_TEST_RUNS")) printf("     %llu calls, %llu faults\n", (unsigned long long)calls_all,
                                       (unsigned long long)faults_all);
    DX_CHECK(calls_all == 0 || faults_all > calls_all / 8);
}
