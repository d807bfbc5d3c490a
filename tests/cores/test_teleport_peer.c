/* dx_teleport.h beside a peer at its worst: it changes any byte of a record between any two loads of
   the reader or of a writer, and any word of a ring at any time. Whatever it does, nothing outside
   the given bytes is touched, and every call ends.

   How the peer gets between two loads: by the macros that a project may replace. Built with
   -fsanitize=thread and -DEVERY_LOAD, but linked without that sanitizer's library, every load that
   the compiler made calls us, those of single bytes too (tests/checks/teleport_peer.sh).

   How a touch outside shows: the bytes end where memory without access begins, as far as an offset
   reaches; and AddressSanitizer watches over what is ours. */
#define _DEFAULT_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(EVERY_LOAD)
  #define UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
  #define UNSEEN __attribute__((noinline))
static void peer_copy(void *to, const void *from, size_t size);
  #define DX_TELEPORT_MEMCPY(to, from, size) peer_copy(to, from, size)
#endif
static uint32_t peer_load(const uint32_t *p);
#define DX_TELEPORT_LOAD_ACQUIRE(p) peer_load(p)
#define DX_TELEPORT_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <sys/mman.h>

/* >>peer ---------------------------------------------------------------- */
enum { ROOM = 1 << 16 };
#if UINTPTR_MAX > UINT32_MAX
static const size_t REACH = ((size_t)1 << 32) + 65536; /* of an offset */
#else
static const size_t REACH = (size_t)1 << 24;
#endif

static struct peer {
    uint8_t *room;           /* ROOM bytes, memory without access before and behind them */
    uint8_t *bytes, *end;    /* what is shared, at the end of the room */
    uint8_t  good[ROOM];     /* what the honest part of the peer wrote there */
    uint8_t  seen[ROOM];     /* loaded before, in this call */
    bool     armed, ring;
    uint64_t state;
    uint32_t mischief;       /* of 256 loads, before how many it does something else */
    uint64_t loads, faults;
} peer;
static uint64_t faults_all, calls_all;

static UNSEEN uint64_t peer_draw(void)
{
    peer.state ^= peer.state << 13;
    peer.state ^= peer.state >> 7;
    peer.state ^= peer.state << 17;
    return peer.state * 0x2545f4914f6cdd1du;
}

static UNSEEN uint32_t peer_below(uint32_t limit)
{
    return (uint32_t)(peer_draw() >> 33) % limit;
}

static UNSEEN void *peer_room(void)
{
    if (!peer.room) {
        uint8_t *all = mmap(NULL, ROOM + REACH + ROOM, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all == MAP_FAILED || mprotect(all + ROOM, ROOM, PROT_READ | PROT_WRITE)) abort();
        peer.room = all + ROOM;
    }
    return peer.room;
}

/* Share `size` bytes. */
static UNSEEN uint8_t *peer_share(const uint8_t *bytes, size_t size)
{
    peer.end = (uint8_t *)peer_room() + ROOM;
    peer.bytes = peer.end - size;
    memcpy(peer.bytes, bytes, size);
    memcpy(peer.good, bytes, size);
    return peer.bytes;
}

static UNSEEN void peer_begin(bool armed)
{
    memcpy(peer.bytes, peer.good, (size_t)(peer.end - peer.bytes));
    memset(peer.seen, 0, (size_t)(peer.end - peer.bytes));
    peer.loads = peer.faults = 0;
    peer.armed = armed;
}

static UNSEEN void peer_end(void)
{
    peer.armed = false;
    faults_all += peer.faults;
    calls_all++;
}

static UNSEEN void peer_scribble(size_t at, size_t size)
{
    static const uint32_t edges[] = {0, 1, 4, 8, 24, 0x7fffffff, 0x80000000, 0xfffffff8, UINT32_MAX};
    const size_t all = (size_t)(peer.end - peer.bytes);
    uint32_t word = edges[peer_below(9)];
    if (peer_below(3) == 0) word = (uint32_t)peer_draw();
    if (peer_below(4) == 0) word = peer_below((uint32_t)all + 9);
    if (size > 4 && peer_below(2)) at += 4;
    if (all >= 4) memcpy(peer.bytes + (at < all - 4 ? at : all - 4), &word, 4);
    peer.faults++;
}

/* Before a load of these bytes: show what passes the checks to the first one and anything to a
   second; or change whatever else. */
static UNSEEN void peer_before(const void *p, size_t size)
{
    const uint8_t *from = p;
    size_t at;
    if (!peer.armed || from < peer.bytes || from >= peer.end) return;
    at = (size_t)(from - peer.bytes);
    if (size > (size_t)(peer.end - from)) size = (size_t)(peer.end - from);
    peer.loads++;
    if (peer_below(256) < peer.mischief) peer_scribble(peer_below((uint32_t)(peer.end - peer.bytes)), 1);
    if (peer.seen[at] ? peer_below(2) == 0 : peer_below(256) < peer.mischief) peer_scribble(at, size);
    else if (!peer.ring) memcpy(peer.bytes + at, peer.good + at, size);
    memset(peer.seen + at, 1, size);
}

#ifndef EVERY_LOAD
static void peer_copy(void *to, const void *from, size_t size)
{
    peer_before(from, size);
    memcpy(to, from, size);
}
#endif

/* Words of a ring: near what is right, wrong by a little, anything. */
static UNSEEN uint32_t peer_load(const uint32_t *p)
{
    const uint8_t *at = (const uint8_t *)p;
    uint32_t word = __atomic_load_n(p, __ATOMIC_ACQUIRE);
    if (!peer.armed || !peer.ring || at < peer.bytes || at >= peer.end) return word;
    peer.loads++;
    if (peer_below(256) >= peer.mischief) return word;
    peer.faults++;
    switch (peer_below(6)) {
    case 0: word = (uint32_t)peer_draw(); break;
    case 1: word += peer_below(17) - 8; break;
    case 2: word += 8 * (peer_below(33) - 16); break;
    case 3: word = UINT32_MAX; break;
    case 4: word = 0u - peer_below(64); break;
    default: word = peer_below(300); break;
    }
    memcpy(peer.bytes + (at - peer.bytes), &word, 4);
    return word;
}

#ifdef EVERY_LOAD
#define HOOK(name, size)                                                                      \
    UNSEEN void __tsan_##name(void *p);                                                       \
    UNSEEN void __tsan_##name(void *p) { peer_before(p, size); }
#define QUIET(name)                                                                           \
    UNSEEN void __tsan_##name(void *p);                                                       \
    UNSEEN void __tsan_##name(void *p) { (void)p; }
HOOK(read1, 1) HOOK(read2, 2) HOOK(read4, 4) HOOK(read8, 8) HOOK(read16, 16)
HOOK(unaligned_read2, 2) HOOK(unaligned_read4, 4) HOOK(unaligned_read8, 8)
HOOK(unaligned_read16, 16)
HOOK(read_write1, 1) HOOK(read_write2, 2) HOOK(read_write4, 4) HOOK(read_write8, 8)
HOOK(unaligned_read_write2, 2) HOOK(unaligned_read_write4, 4) HOOK(unaligned_read_write8, 8)
HOOK(read_write16, 16) HOOK(unaligned_read_write16, 16)
QUIET(write1) QUIET(write2) QUIET(write4) QUIET(write8) QUIET(write16)
QUIET(unaligned_write2) QUIET(unaligned_write4) QUIET(unaligned_write8) QUIET(unaligned_write16)
QUIET(func_entry) QUIET(func_exit) QUIET(init)
void __tsan_read_range(void *p, size_t size);
UNSEEN void __tsan_read_range(void *p, size_t size) { peer_before(p, size); }
void __tsan_write_range(void *p, size_t size);
UNSEEN void __tsan_write_range(void *p, size_t size) { (void)p, (void)size; }
void *__tsan_memcpy(void *to, const void *from, size_t size);
UNSEEN void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    peer_before(from, size);
    return memcpy(to, from, size);
}
void *__tsan_memset(void *to, int byte, size_t size);
UNSEEN void *__tsan_memset(void *to, int byte, size_t size) { return memset(to, byte, size); }
void *__tsan_memmove(void *to, const void *from, size_t size);
UNSEEN void *__tsan_memmove(void *to, const void *from, size_t size)
{
    return memmove(to, from, size);
}
uint32_t __tsan_atomic32_load(const volatile uint32_t *p, int order);
UNSEEN uint32_t __tsan_atomic32_load(const volatile uint32_t *p, int order)
{
    (void)order;
    return *p; /* there is one thread */
}
void __tsan_atomic32_store(volatile uint32_t *p, uint32_t v, int order);
UNSEEN void __tsan_atomic32_store(volatile uint32_t *p, uint32_t v, int order)
{
    (void)order;
    *p = v;
}
#endif

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

/* What both versions have; trip or trip1. */
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

static uint64_t sum_bytes(const void *p, size_t size)
{
    const uint8_t *bytes = p;
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) sum += bytes[i];
    return sum;
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

/* All that there is: for bytes that nobody changes. */
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

/* What may be read where the bytes change: fields whose place in the record is fixed. */
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

/* Copy first: what is opened then is ours, and all of it can be believed. */
static void read_a_copy(const uint8_t *bytes, size_t size, unsigned flags, bool old)
{
    uint8_t *ours = malloc(size);
    trip_view v;
    DX_TELEPORT_MEMCPY(ours, bytes, size);
    if (open_trip(&v, ours, size, flags, old) == 0) DX_CHECK_EQ(sum_trip(&v), sum_trip(&v));
    free(ours);
}

static volatile uint64_t sink;
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
        sink = operation == OPEN ? sum_in_place(&v) : (uint64_t)trip_dump(&v, text, sizeof text, &n);
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

/* Work is bounded by the bytes: each is looked at a few times at most. */
static void check_work(size_t size) { DX_CHECK(peer.loads <= 64 * (uint64_t)size + 4096); }

static void begin_run(dx_choices *c, bool ring)
{
    static const uint32_t rates[] = {0, 1, 4, 20, 128};
    peer.state = dx_choose(c, UINT64_MAX - 1) + 1;
    peer.mischief = rates[dx_choose(c, 4)];
    peer.ring = ring;
    opened = 0;
}

DX_PROPERTY(tp_5_a_peer_writes_while_a_record_is_read, 20000)
{
    static const unsigned forms[] = {0, DX_TELEPORT_CRC, DX_TELEPORT_BARE};
    static uint8_t buf[ROOM];
    const unsigned flags = forms[dx_choose(c, 2)];
    const bool old = dx_choose(c, 1) == 1;
    uint8_t *bytes;
    size_t size;
    begin_run(c, false);
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
    DX_CHECK(opened > 0); /* the same bytes, left alone */
}

/* The fixed part of a record lies where the other end of a ring can write too. */
DX_PROPERTY(rb_5_a_peer_writes_while_a_record_is_written, 10000)
{
    static uint8_t buf[ROOM];
    const unsigned flags = dx_choose(c, 1) ? DX_TELEPORT_CRC : 0;
    uint64_t state;
    trip_writer w;
    size_t size, again = 0;
    uint8_t *bytes;
    begin_run(c, false);
    state = peer.state;
    size = write_trip(buf, sizeof buf, flags, false);
    bytes = peer_share(buf, size);
    peer.ring = true; /* what we stored stays, unless it is meddled with */
    peer_begin(true);
    trip_begin(&w, bytes, size, flags);
    if (dx_choose(c, 1)) peer.state = state; /* the same record, or another one, which may not fit */
    fill_trip(&w);
    trip_finish(&w, &again);
    peer_end();
    DX_CHECK(again <= size);
    check_work(size);
}

/* Any bytes at all, at any alignment. */
DX_PROPERTY(tp_5_a_peer_and_arbitrary_bytes, 10000)
{
    static uint8_t buf[ROOM];
    const unsigned flags = dx_choose(c, 1) ? DX_TELEPORT_BARE : 0;
    size_t size;
    uint8_t *bytes;
    begin_run(c, false);
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

/* >>ring ---------------------------------------------------------------- */
typedef struct shape {
    uint32_t record_size, capacity;
} shape;
static const shape shapes[] = {{0, 64}, {0, 256}, {0, 4096}, {16, 4}, {64, 1}, {64, 8}, {192, 2}};

static uint8_t *share_ring(const shape *s)
{
    static uint8_t memory[ROOM + 384] __attribute__((aligned(64)));
    dx_teleport_ring_desc desc;
    size_t size;
    desc.record_size = s->record_size;
    desc.capacity = s->capacity;
    size = dx_teleport_ring_memory_size(&desc);
    DX_CHECK(size % 64 == 0 && size <= ROOM);
    DX_CHECK_EQ(dx_teleport_ring_init(memory, size, &desc), 0);
    return peer_share(memory, size);
}

static size_t ring_size(void) { return (size_t)(peer.end - peer.bytes); }

/* Inside the records of the ring, and usable to the last byte. */
static void check_place(uint32_t record_size, const void *where, size_t size)
{
    const uint8_t *p = where;
    DX_CHECK(p >= peer.bytes + 384 && p <= peer.end && size <= (size_t)(peer.end - p));
    if (record_size == 0) DX_CHECK_EQ((uintptr_t)p % 8, 0);
    sink = sum_bytes(p, size);
}

/* One call. The shape is what the end attached to: the peer may have changed it before. */
static void consume(dx_choices *c, dx_teleport_consumer *r)
{
    const size_t capacity = (size_t)peer_below(peer_below(2) ? 80 : 8000);
    uint8_t *out = malloc(capacity + 1);
    const void *where;
    size_t size = 0;
    switch (dx_choose(c, 3)) {
    case 0:
        if (dx_teleport_consumer_pop(r, out, capacity, &size) == 0) DX_CHECK(size <= capacity);
        break;
    case 1:
        if (dx_teleport_consumer_peek(r, &where, &size)) break;
        check_place(r->record_size_, where, size);
        DX_CHECK_EQ(dx_teleport_consumer_release(r), 0);
        break;
    case 2:
        if (r->record_size_ == 0) break;
        if (dx_teleport_consumer_pop_many(r, out, capacity / r->record_size_, &size) == 0)
            DX_CHECK(size <= capacity / r->record_size_);
        break;
    default: dx_teleport_consumer_attach(r, peer.bytes, ring_size()); break;
    }
    free(out);
}

static void produce(dx_choices *c, dx_teleport_producer *r)
{
    static const uint8_t bytes[3 * ROOM] = {7};
    const size_t size = r->record_size_ ? r->record_size_ : peer_below(r->capacity_ % 4096 + 1);
    void *where;
    size_t done;
    switch (dx_choose(c, 3)) {
    case 0: dx_teleport_producer_push(r, bytes, size); break;
    case 1:
        if (dx_teleport_producer_claim(r, size, &where)) break;
        check_place(r->record_size_, where, size);
        memset(where, 8, size);
        DX_CHECK_EQ(dx_teleport_producer_commit(r), 0);
        break;
    case 2:
        if (r->record_size_ == 0) break;
        if (dx_teleport_producer_push_many(r, bytes, 3, &done) == 0) DX_CHECK(done <= 3);
        break;
    default: dx_teleport_producer_attach(r, peer.bytes, ring_size()); break;
    }
}

DX_PROPERTY(rb_5_a_peer_writes_any_word_of_a_ring_at_any_time, 20000)
{
    const shape *s = &shapes[dx_choose(c, 6)];
    dx_teleport_producer p;
    dx_teleport_consumer r;
    begin_run(c, true);
    share_ring(s);
    peer_begin(false);
    DX_CHECK_EQ(dx_teleport_producer_attach(&p, peer.bytes, ring_size()), 0);
    DX_CHECK_EQ(dx_teleport_consumer_attach(&r, peer.bytes, ring_size()), 0);
    peer.armed = true;
    for (uint64_t n = dx_choose(c, 60); n; n--) {
        if (dx_choose(c, 1)) produce(c, &p);
        else consume(c, &r);
        if (peer_below(256) < peer.mischief) peer_scribble(peer_below((uint32_t)ring_size()), 1);
    }
    peer_end();
}

/* Any bytes as a ring, of any length, at any alignment. */
DX_PROPERTY(rb_5_any_bytes_are_attached_to, 20000)
{
    const shape *s = &shapes[dx_choose(c, 6)];
    uint32_t word = 0;
    const size_t shift = dx_choose(c, 7) ? 0 : (size_t)dx_choose(c, 63);
    size_t size;
    dx_teleport_producer p;
    dx_teleport_consumer r;
    int error;
    begin_run(c, true);
    share_ring(s);
    peer_begin(false);
    for (size_t at = 0; at < 12; at++)
        if (dx_choose(c, 15) == 15) peer_scribble(at, 1);
    for (size_t at = 128; at <= 256; at += 128) { /* the indices, close to each other */
        word += (uint32_t)dx_choose(c, 1) ? 8 * (uint32_t)dx_choose(c, 12) : (uint32_t)dx_choose(c, 20);
        memcpy(peer.bytes + 384 - at, &word, 4);
    }
    for (size_t at = 384; at + 8 <= ring_size() && at < 512; at += 8)
        if (dx_choose(c, 1)) peer_scribble(at, 1);
    size = ring_size() - (dx_choose(c, 3) ? 0 : (size_t)dx_choose(c, ring_size()));
    if (size < shift) return;
    for (int side = 0; side < 2; side++) {
        error = side ? dx_teleport_producer_attach(&p, peer.bytes + shift, size - shift)
                     : dx_teleport_consumer_attach(&r, peer.bytes + shift, size - shift);
        if (shift) DX_CHECK_EQ(error, DX_TELEPORT_EINVAL);
        if (error) continue;
        for (int i = 0; i < 20; i++) {
            if (side) produce(c, &p);
            else consume(c, &r);
        }
    }
}

/* Every pair of indices near each other: taken if a ring can have them, and by both ends alike. */
DX_TEST(rb_5_indices_that_no_ring_can_have_are_refused_at_attach)
{
    static const uint32_t starts[] = {0, 64, 4096, 0x80000000, 0xffffffc0};
    for (size_t k = 0; k < 2; k++) {
        const shape *s = &shapes[k ? 3 : 0];
        peer.ring = true;
        share_ring(s);
        peer_begin(false);
        for (size_t i = 0; i < 5; i++)
            for (uint32_t a = 0; a < 90; a++)
                for (uint32_t b = 0; b < 90; b++) {
                    const uint32_t write = starts[i] + a, read = starts[i] + b - 20;
                    const bool good = write - read <= s->capacity &&
                                      (s->record_size || (write % 8 == 0 && read % 8 == 0));
                    const int expected = good ? DX_TELEPORT_OK : DX_TELEPORT_ECORRUPT;
                    dx_teleport_producer p;
                    dx_teleport_consumer r;
                    memcpy(peer.bytes + 128, &write, 4);
                    memcpy(peer.bytes + 256, &read, 4);
                    DX_CHECK_EQ((unsigned)dx_teleport_producer_attach(&p, peer.bytes, ring_size()),
                                (unsigned)expected);
                    DX_CHECK_EQ((unsigned)dx_teleport_consumer_attach(&r, peer.bytes, ring_size()),
                                (unsigned)expected);
                }
    }
}

/* A reader index that moves to where none can be, after attach. */
DX_TEST(rb_5_a_producer_refuses_a_read_index_between_two_places)
{
    const shape s = {0, 64};
    const uint32_t between = 4;
    dx_teleport_producer p;
    peer.ring = true;
    share_ring(&s);
    peer_begin(false);
    DX_CHECK_EQ(dx_teleport_producer_attach(&p, peer.bytes, ring_size()), 0);
    DX_CHECK_EQ(dx_teleport_producer_push(&p, "123456789012345678901234", 24), 0);
    DX_CHECK_EQ(dx_teleport_producer_push(&p, "123456789012345678901234", 24), 0);
    memcpy(peer.bytes + 256, &between, 4);
    DX_CHECK_EQ((unsigned)dx_teleport_producer_push(&p, "", 0), (unsigned)DX_TELEPORT_ECORRUPT);
}

DX_TEST(tp_5_the_peer_was_busy)
{
    if (getenv("DX_TEST_RUNS")) printf("     %llu calls, %llu faults\n", (unsigned long long)calls_all,
                                       (unsigned long long)faults_all);
    DX_CHECK(calls_all == 0 || faults_all > calls_all / 8);
}
