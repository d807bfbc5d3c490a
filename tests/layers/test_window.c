/* Tests of layers/dx_window.h: growing windows, and a model of them on a link with delay and bandwidth. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_window.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { FIRST = 4096 };
static const uint64_t millisecond = 1000000;
static const uint64_t second = 1000000000;

static dx_window window_of(uint32_t promised, uint32_t limit)
{
    dx_window w;
    DX_CHECK_EQ(dx_window_init(&w, promised, limit), 0);
    return w;
}

DX_TEST(wi_1_what_is_out_of_range_is_refused)
{
    dx_window w;
    DX_CHECK_EQ(dx_window_init(NULL, 1, 1), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_init(&w, 1, 0), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_init(&w, 0x80000000u, 1), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_init(&w, 1, 0x80000000u), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_init(&w, 0x7fffffff, 0x7fffffff), 0);
    DX_CHECK_EQ(dx_window_set_limit(&w, 0), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_set_limit(&w, 0x80000000u), DX_WINDOW_EINVAL);
    DX_CHECK_EQ(dx_window_set_limit(NULL, 1), DX_WINDOW_EINVAL);
    DX_CHECK(!strcmp(dx_window_error_name(DX_WINDOW_ETOOBIG), "DX_WINDOW_ETOOBIG"));
    DX_CHECK(!strcmp(dx_window_error_name(-77), "unknown error"));
}

DX_TEST(wi_1_more_than_was_promised_is_refused_and_changes_nothing)
{
    dx_window w = window_of(100, 5000);
    DX_CHECK_EQ(dx_window_arrived(&w, 101, 0), DX_WINDOW_ETOOBIG);
    DX_CHECK_EQ(w.promised, 100);
    DX_CHECK_EQ(w.unread, 0);
    DX_CHECK_EQ(dx_window_arrived(&w, 100, 0), 0);
    DX_CHECK_EQ(dx_window_arrived(&w, 1, 0), DX_WINDOW_ETOOBIG);
    DX_CHECK_EQ(dx_window_consumed(&w, 200, 0), FIRST); /* no more than had arrived */
    DX_CHECK_EQ(w.promised, FIRST);
}

DX_TEST(wi_1_a_window_begins_with_4096_bytes_or_the_limit)
{
    dx_window w = window_of(0, 1 << 20);
    DX_CHECK_EQ(dx_window_consumed(&w, 0, 0), FIRST);
    DX_CHECK_EQ(dx_window_consumed(&w, 0, 0), 0);
    w = window_of(0, 100);
    DX_CHECK_EQ(dx_window_consumed(&w, 0, 0), 100);
    w = window_of(1, 1);
    DX_CHECK_EQ(dx_window_arrived(&w, 1, 0), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, 1, 0), 1); /* a window of one byte works, too */
}

DX_TEST(wi_2_a_window_becomes_twice_what_is_consumed_in_a_round_trip)
{
    dx_window w = window_of(FIRST, 40000);
    uint64_t now = 0;
    DX_CHECK_EQ(dx_window_arrived(&w, FIRST, now), 0);
    DX_CHECK_EQ(w.round_trip_ns, 0);
    DX_CHECK_EQ(dx_window_consumed(&w, FIRST, now), FIRST);
    now = 50 * millisecond;
    DX_CHECK_EQ(dx_window_arrived(&w, FIRST, now), 0);
    DX_CHECK_EQ(w.round_trip_ns, 50 * millisecond);
    DX_CHECK_EQ(dx_window_consumed(&w, FIRST, now), 6 * FIRST); /* both windows within it, and a piece */
    DX_CHECK_EQ(w.size, 6 * FIRST);
    now += 50 * millisecond;
    DX_CHECK_EQ(dx_window_arrived(&w, 100, now), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, 100, now), 0);
    DX_CHECK_EQ(w.size, 6 * FIRST); /* a slow round does not shrink it */
    now += 50 * millisecond;
    DX_CHECK_EQ(dx_window_arrived(&w, 6 * FIRST - 100, now), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, 6 * FIRST - 100, now), 40000);
    DX_CHECK_EQ(w.size, 40000);
}

DX_TEST(wi_2_who_reads_slowly_gets_no_larger_window)
{
    dx_window w = window_of(FIRST, 1 << 20);
    uint64_t now = 0;
    dx_window_set_round_trip(&w, 10 * millisecond);
    for (int i = 0; i < 1000; i++) { /* 1000 bytes per round trip */
        DX_CHECK_EQ(dx_window_arrived(&w, 1000, now), 0);
        now += 10 * millisecond;
        (void)dx_window_consumed(&w, 1000, now);
        DX_CHECK(w.promised >= 1000);
    }
    DX_CHECK_EQ(w.size, FIRST);
}

DX_TEST(wi_2_a_lower_limit_takes_nothing_back_and_promises_nothing_above_it)
{
    dx_window w = window_of(10000, 10000);
    DX_CHECK_EQ(dx_window_set_limit(&w, 3000), 0);
    DX_CHECK_EQ(w.promised, 10000);
    DX_CHECK_EQ(dx_window_arrived(&w, 7000, 0), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, 7000, 0), 0); /* 3000 are still promised */
    DX_CHECK_EQ(dx_window_arrived(&w, 3000, 0), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, 3000, 0), 3000);
}

DX_TEST(wi_2_a_clock_that_goes_back_measures_nothing)
{
    dx_window w = window_of(FIRST, 1 << 20);
    DX_CHECK_EQ(dx_window_arrived(&w, FIRST, second), 0);
    DX_CHECK_EQ(dx_window_consumed(&w, FIRST, second), FIRST);
    DX_CHECK_EQ(dx_window_arrived(&w, FIRST, 1), 0);
    DX_CHECK_EQ(w.round_trip_ns, 0);
    DX_CHECK_EQ(dx_window_consumed(&w, FIRST, 1), FIRST);
    DX_CHECK_EQ(dx_window_arrived(&w, FIRST, 6), 0);
    DX_CHECK_EQ(w.round_trip_ns, 5);
}

/* >>model --------------------------------------------------------------

   A sender that always has data, a link that accepts `rate` bytes per second and delivers them after half a
   round trip, a reader at `read_rate`, and grants that travel back. The sender's allowance is computed here
   from the grants. */
enum { QUEUE = 1 << 16 };

typedef struct item {
    uint64_t at_ns;
    uint32_t bytes;
} item;

typedef struct queue {
    item     items[QUEUE];
    uint32_t first, count;
} queue;

static struct {
    uint64_t now, half_ns, rate, read_rate, link_free_ns, read_ns;
    uint64_t consumed, granted;
    uint32_t chunk, credit, reading, limit, most;
    queue    data, promises, waiting;
    dx_window w;
} m;

static void put(queue *q, uint64_t at_ns, uint32_t bytes)
{
    item *i = &q->items[(q->first + q->count++) % QUEUE];
    DX_CHECK(q->count <= QUEUE);
    i->at_ns = at_ns;
    i->bytes = bytes;
}

static uint32_t take(queue *q)
{
    const uint32_t bytes = q->items[q->first].bytes;
    q->first = (q->first + 1) % QUEUE;
    q->count--;
    return bytes;
}

static uint64_t first_of(const queue *q) { return q->count ? q->items[q->first].at_ns : UINT64_MAX; }

static uint64_t time_of(uint64_t bytes, uint64_t rate) { return (bytes * second + rate - 1) / rate; }

/* The sender puts as much as it may on the link, once the link is free. */
static void send_some(void)
{
    while (m.credit && m.link_free_ns <= m.now) {
        const uint32_t bytes = m.credit < m.chunk ? m.credit : m.chunk;
        m.credit -= bytes;
        m.link_free_ns = m.now + time_of(bytes, m.rate);
        put(&m.data, m.link_free_ns + m.half_ns, bytes);
    }
}

static void grant(uint32_t bytes)
{
    if (!bytes) return;
    m.granted += bytes;
    put(&m.promises, m.now + m.half_ns, bytes);
    DX_CHECK(m.granted - m.consumed <= m.most); /* the memory that the peer could fill */
}

static void read_next(void)
{
    if (m.reading || !m.waiting.count) return;
    m.reading = take(&m.waiting);
    m.read_ns = m.now + time_of(m.reading, m.read_rate);
}

/* Process the next event. */
static void step(void)
{
    uint64_t next = first_of(&m.data);
    if (first_of(&m.promises) < next) next = first_of(&m.promises);
    if (m.reading && m.read_ns < next) next = m.read_ns;
    if (m.credit && m.link_free_ns < next) next = m.link_free_ns;
    DX_CHECK(next != UINT64_MAX); /* nothing waits forever */
    m.now = next;
    while (first_of(&m.promises) <= m.now) m.credit += take(&m.promises);
    if (first_of(&m.data) <= m.now) {
        const uint32_t bytes = take(&m.data);
        DX_CHECK_EQ(dx_window_arrived(&m.w, bytes, m.now), 0);
        put(&m.waiting, 0, bytes);
    }
    if (m.reading && m.read_ns <= m.now) {
        const uint32_t size = m.w.size;
        m.consumed += m.reading;
        grant(dx_window_consumed(&m.w, m.reading, m.now));
        DX_CHECK(m.w.size >= size && m.w.size <= m.limit);
        m.reading = 0;
    }
    read_next();
    send_some();
}

static uint64_t log_scale(dx_choices *c, uint32_t least, uint32_t most)
{
    const uint64_t power = (uint64_t)1 << dx_choose_range(c, least, most);
    return power + dx_choose(c, power - 1);
}

/* Payloads of 256 bytes over 50 ms: a fixed window of one chunk gives 5 KB/s, a growing one fills the
   path. */
DX_TEST(wi_3_small_payloads_fill_a_long_path)
{
    const uint32_t limits[2] = {252, 1 << 18};
    uint64_t rates[2];
    for (int i = 0; i < 2; i++) {
        memset(&m, 0, sizeof m);
        m.half_ns = 25 * millisecond;
        m.rate = 1000000;
        m.read_rate = 100000000;
        m.chunk = 252;
        m.limit = m.most = limits[i];
        m.w = window_of(0, m.limit);
        grant(dx_window_consumed(&m.w, 0, 0));
        while (m.now < 2 * second) step();
        rates[i] = m.consumed;
        while (m.now < 4 * second) step();
        rates[i] = (m.consumed - rates[i]) / 2; /* bytes per second */
    }
    DX_CHECK(rates[0] > 4000 && rates[0] < 6000);
    DX_CHECK(rates[1] > 900000 && rates[1] <= m.rate + m.chunk); /* one more may end within the time */
}

static uint64_t model_runs, model_limited;
DX_PROPERTY(wi_3_the_path_is_full_after_some_round_trips_and_memory_bounded, 400)
{
    uint64_t ideal, round_ns, from, began_ns, chunk_ns;
    uint32_t promised;
    memset(&m, 0, sizeof m);
    m.half_ns = log_scale(c, 14, 27);      /* 16 us to 0.27 s, so round trips of up to half a second */
    m.rate = log_scale(c, 14, 28);         /* 16 KB/s to 0.5 GB/s */
    m.read_rate = dx_choose(c, 1) ? log_scale(c, 14, 28) : m.rate * 8;
    m.limit = (uint32_t)log_scale(c, 16, 23);
    m.chunk = (uint32_t)dx_choose_range(c, 1000, m.limit / 64 < 16384 ? m.limit / 64 : 16384);
    promised = (uint32_t)dx_choose(c, 2 * FIRST);
    m.w = window_of(promised, m.limit);
    m.credit = promised;
    m.granted = promised;
    m.most = m.limit;
    grant(dx_window_consumed(&m.w, 0, 0));
    send_some();
    chunk_ns = time_of(m.chunk, m.rate) + time_of(m.chunk, m.read_rate);
    round_ns = 2 * m.half_ns + chunk_ns;
    ideal = m.rate < m.read_rate ? m.rate : m.read_rate;
    if ((uint64_t)((double)m.limit * 1e9 / (double)round_ns) < ideal) {
        ideal = (uint64_t)((double)m.limit * 1e9 / (double)round_ns);
        model_limited++;
    }
    while (m.now < 40 * round_ns) step();
    from = m.consumed;
    began_ns = m.now;
    while (m.now < began_ns + 40 * round_ns) step();
    DX_CHECK((double)(m.consumed - from) * 1e9 / (double)(m.now - began_ns) >= 0.9 * (double)ideal);
    DX_CHECK(m.w.round_trip_ns >= 2 * m.half_ns);
    model_runs++;
}
DX_TEST(wi_3_limits_were_reached_and_not_reached)
{
    if (model_runs) DX_CHECK(model_limited > model_runs / 20 && model_limited < model_runs);
}
