/* Tests of the middleware of dx_hbtp.h: chains, rate limits, header fields, timing, CORS. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>chains ------------------------------------------------------------- */
typedef struct trail { /* what ran, in order: 'a' before, 'A' after, 'h' the handler */
    char     text[40];
    size_t   size;
    int      stop_at, stop_with, handler_result; /* stop_at: 0..2, -1 none */
    uint32_t seen[3];
} trail;

static trail *trail_of(const dx_hbtp_context *c) { return (trail *)c->user; }

static void note(const dx_hbtp_context *c, char what)
{
    trail *t = trail_of(c);
    t->text[t->size++] = what;
    t->text[t->size] = 0;
}

static int handle(const dx_hbtp_context *c)
{
    note(c, 'h');
    return trail_of(c)->handler_result;
}

#define HOOK(letter, index)                                              \
    static inline int letter##_before(const dx_hbtp_context *c)          \
    {                                                                    \
        note(c, #letter[0]);                                             \
        return trail_of(c)->stop_at == index ? trail_of(c)->stop_with : 0; \
    }                                                                    \
    static inline int letter##_after(const dx_hbtp_context *c, int result) \
    {                                                                    \
        note(c, (char)(#letter[0] - 32));                                \
        trail_of(c)->seen[index] = (uint32_t)result;                     \
        return result;                                                   \
    }
HOOK(a, 0)
HOOK(b, 1)
HOOK(d, 2)

DX_HBTP_CHAIN(chain_abd, handle, a, b, d)
DX_HBTP_CHAIN(chain_adb, handle, a, d, b)
DX_HBTP_CHAIN(chain_bad, handle, b, a, d)
DX_HBTP_CHAIN(chain_bda, handle, b, d, a)
DX_HBTP_CHAIN(chain_dab, handle, d, a, b)
DX_HBTP_CHAIN(chain_dba, handle, d, b, a)
DX_HBTP_CHAIN(chain_a, handle, a)
DX_HBTP_CHAIN(chain_8, handle, a, b, d, a, b, d, a, b)

static const struct { dx_hbtp_handler_fn *fn; const char *order; } chains[] = {
    {chain_abd, "abd"}, {chain_adb, "adb"}, {chain_bad, "bad"}, {chain_bda, "bda"},
    {chain_dab, "dab"}, {chain_dba, "dba"}, {chain_a, "a"},     {chain_8, "abdabdab"}};

static int run_chain(size_t which, trail *t)
{
    dx_hbtp_context context;
    memset(&context, 0, sizeof context);
    context.user = t;
    return chains[which].fn(&context);
}

DX_TEST(p15_mw_3_w_42_before_in_order_after_in_reverse_for_every_permutation_and_stop)
{
    static const int results[] = {DX_HBTP_STOP, 401, 429, 500, DX_HBTP_EINVAL, DX_HBTP_LATER};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        const size_t n = strlen(chains[i].order);
        for (int stop = -1; stop < 3; stop++) {
            for (size_t r = 0; r < sizeof results / sizeof *results; r++) {
                trail t;
                char want[40];
                size_t size = 0, ran = n;
                memset(&t, 0, sizeof t);
                t.stop_at = stop;
                t.stop_with = results[r];
                t.handler_result = stop < 0 ? results[r] : 0;
                bool stops = false;
                for (size_t k = 0; k < n && !stops; k++) {
                    want[size++] = chains[i].order[k];
                    stops = stop >= 0 && chains[i].order[k] == "abd"[stop];
                    if (stops) ran = k;
                }
                if (!stops) want[size++] = 'h';
                for (size_t k = ran; k-- > 0;) want[size++] = (char)(chains[i].order[k] - 32);
                want[size] = 0;
                int result = run_chain(i, &t);
                DX_CHECK_STR(t.text, want);
                int expected = stops || stop < 0 ? results[r] : 0;
                if (expected == DX_HBTP_STOP) expected = 0;
                DX_CHECK_EQ(result, expected);
            }
        }
    }
}

static int soften_before(const dx_hbtp_context *c) { (void)c; return 0; }
static int soften_after(const dx_hbtp_context *c, int result)
{
    (void)c;
    return result == 500 ? 503 : result;
}
DX_HBTP_CHAIN(chain_soft, handle, soften, a)

DX_TEST(mw_1_mw_9_an_after_decides_and_the_session_sends_the_status)
{
    static const int kinds[] = {401, 429, 400, 500}, sent[] = {401, 429, 400, 503};
    for (int i = 0; i < 4; i++) {
        static uint64_t memory[512];
        uint8_t bytes[512], call[64];
        dx_hbtp_out out, wire;
        dx_hbtp_session s;
        dx_hbtp_session_desc d;
        static dx_hbtp_router router;
        dx_hbtp_frame f;
        trail t;
        uint16_t status = 0;
        const char *text;
        size_t size;
        memset(&t, 0, sizeof t);
        memset(&d, 0, sizeof d);
        t.stop_at = -1;
        t.handler_result = kinds[i];
        dx_hbtp_out_init(&out, bytes, sizeof bytes);
        dx_hbtp_out_init(&wire, call, sizeof call);
        dx_hbtp_router_init(&router);
        DX_CHECK_EQ(dx_hbtp_router_set_method(&router, 1, chain_soft, &t), 0);
        d.memory = memory;
        d.memory_size = sizeof memory;
        d.max_payload = 256;
        d.out = &out;
        d.router = &router;
        DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), 0);
        dx_hbtp_write_rpc_call(&wire, 9, 1, NULL, 0);
        const uint8_t *p = dx_hbtp_out_data(&wire, &size);
        DX_CHECK_EQ(dx_hbtp_feed(&s, p, size, 0), (int64_t)size);
        p = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
        DX_CHECK_EQ(dx_hbtp_parse_rpc_error(&f, &status, &text, &size), 0);
        DX_CHECK_EQ(status, sent[i]);
        DX_CHECK_EQ(t.seen[0], kinds[i]);
    }
}

/* >>rate limits -------------------------------------------------------- */
static dx_hbtp_limiter limiter(uint32_t limit, uint64_t period, uint32_t burst, bool window,
                               void *memory, size_t size)
{
    dx_hbtp_limiter l;
    dx_hbtp_limiter_desc d;
    memset(&d, 0, sizeof d);
    d.limit = limit;
    d.period_ns = period;
    d.burst = burst;
    d.window = window;
    d.memory = memory;
    d.memory_size = size;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), 0);
    return l;
}

DX_TEST(p17_mw_6_the_window_is_exact_at_its_edges_and_per_worker)
{
    dx_hbtp_limiter one = limiter(0, 0, 0, true, NULL, 0), two = one;
    dx_hbtp_quota q;
    const uint64_t second = 1000000000u, begin = 5 * second + 17;
    for (uint32_t i = 0; i < 1000; i++) {
        DX_CHECK_EQ(dx_hbtp_limiter_take(&one, 0, begin + i, &q), 0);
        DX_CHECK_EQ(q.limit, 1000);
        DX_CHECK_EQ(q.remaining, 999 - i);
        DX_CHECK_EQ(q.retry_ns, 0);
    }
    DX_CHECK_EQ(dx_hbtp_limiter_take(&one, 0, begin + second - 1, &q), 429);
    DX_CHECK_EQ(q.remaining, 0);
    DX_CHECK_EQ(q.retry_ns, 1);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&two, 0, begin + second - 1, &q), 0); /* another worker */
    DX_CHECK_EQ(q.remaining, 999);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&one, 0, begin + second, &q), 0);
    DX_CHECK_EQ(q.remaining, 999);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&one, 0, begin, NULL), 0); /* the clock went back: counted */
    DX_CHECK_EQ(dx_hbtp_limiter_take(&one, 0, begin + second, &q), 0);
    DX_CHECK_EQ(q.remaining, 997);
}

DX_TEST(mw_6_the_bucket_is_exact_and_never_gives_more)
{
    dx_hbtp_limiter l = limiter(4, 1000, 2, false, NULL, 0); /* one each 250, two at once */
    dx_hbtp_quota q;
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10000, &q), 0);
    DX_CHECK_EQ(q.remaining, 1);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10000, &q), 0);
    DX_CHECK_EQ(q.remaining, 0);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10000, &q), 429);
    DX_CHECK_EQ(q.retry_ns, 250);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10249, &q), 429);
    DX_CHECK_EQ(q.retry_ns, 1);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10250, &q), 0);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 10251, &q), 429);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&l, 0, 99999, &q), 0);
    DX_CHECK_EQ(q.remaining, 1);
}

DX_PROPERTY(p17_mw_6_no_stretch_of_time_holds_more_than_the_limit, 300)
{
    static uint64_t taken[400];
    uint32_t limit = (uint32_t)dx_choose_range(c, 1, 20), burst = (uint32_t)dx_choose_range(c, 1, 20);
    uint64_t period = dx_choose_range(c, 1, 1000), now = dx_choose(c, 5000);
    bool window = dx_choose(c, 1) != 0;
    dx_hbtp_limiter l = limiter(limit, period, burst, window, NULL, 0);
    size_t count = 0;
    for (int i = 0; i < 400; i++) {
        now += dx_choose(c, 3) ? dx_choose(c, 3) : dx_choose(c, period);
        dx_hbtp_quota q;
        if (!dx_hbtp_limiter_take(&l, 0, now, &q)) taken[count++] = now;
        else if (q.retry_ns > 0) { /* honest: then there is room, and not a moment before */
            dx_hbtp_limiter copy = l;
            DX_CHECK_EQ(dx_hbtp_limiter_take(&copy, 0, now + q.retry_ns - 1, NULL), 429);
            DX_CHECK_EQ(dx_hbtp_limiter_take(&copy, 0, now + q.retry_ns, NULL), 0);
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i; k < count; k++) {
            const uint64_t t = taken[k] - taken[i];
            if (window && t < period) DX_CHECK(k - i + 1 <= 2 * (uint64_t)limit);
            if (!window) DX_CHECK((k - i + 1 - (k - i + 1 > burst ? burst : k - i + 1)) * period <= t * limit);
        }
    }
}

DX_PROPERTY(mw_6_many_names_never_give_a_key_more, 200)
{
    static uint64_t memory[24 * 2];
    const bool window = dx_choose(c, 1) != 0;
    dx_hbtp_limiter l = limiter(5, 1000, 5, window, memory, sizeof memory);
    uint32_t of_key[100] = {0}, others = 0;
    DX_CHECK_EQ(l.sets_, 2);
    for (int i = 0; i < 600; i++) {
        uint64_t key = dx_choose(c, 99);
        if (!dx_hbtp_limiter_take(&l, key, 7, NULL)) of_key[key]++;
    }
    for (int i = 0; i < 100; i++) {
        DX_CHECK(of_key[i] <= 5);
        others += of_key[i];
    }
    DX_CHECK(others <= 16 * 5); /* all keys together: what the places hold */
}

DX_TEST(mw_6_keys_have_counts_of_their_own)
{
    static uint64_t memory[24];
    dx_hbtp_limiter l = limiter(3, 1000, 3, false, memory, sizeof memory);
    for (uint64_t key = 1; key <= 8; key++)
        for (int i = 0; i < 4; i++)
            DX_CHECK_EQ(dx_hbtp_limiter_take(&l, key, 50, NULL), i < 3 ? 0 : 429);
    dx_hbtp_limiter_desc d;
    memset(&d, 0, sizeof d);
    DX_CHECK_EQ(dx_hbtp_limiter_init(NULL, &d), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, NULL), DX_HBTP_EINVAL);
    d.memory = memory;
    d.memory_size = 191;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), DX_HBTP_EINVAL);
    d.memory_size = 192;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), 0);
    d.memory = (uint8_t *)memory + 4;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), DX_HBTP_EINVAL);
    d.memory = NULL;
    d.period_ns = UINT64_MAX / 4;
    d.limit = 1;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), 0);
    d.burst = 2;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), DX_HBTP_EINVAL);
    d.period_ns++;
    d.burst = 1;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&l, &d), DX_HBTP_EINVAL);
}

/* Keys that an adversary chose for one seed: they share a set there, and none with another seed. */
DX_TEST(mw_6_chosen_keys_lock_nobody_out)
{
    static uint64_t memory[24 * 64];
    dx_hbtp_limiter_desc d;
    dx_hbtp_limiter known, secret;
    uint64_t chosen[9], key = 0;
    size_t count = 0;
    memset(&d, 0, sizeof d);
    d.limit = d.burst = 1;
    d.memory = memory;
    d.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_hbtp_limiter_init(&known, &d), 0);
    DX_CHECK_EQ(known.sets_, 64);
    for (; count < 9; key++)
        if ((dx_hbtp_p_keyed_hash(0, key) & 63) == 5) chosen[count++] = key;
    for (size_t i = 0; i < 8; i++) DX_CHECK_EQ(dx_hbtp_limiter_take(&known, chosen[i], 50, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_limiter_take(&known, chosen[8], 50, NULL), 429); /* without a seed */
    for (uint64_t seed = 1; seed < 100; seed++) {
        d.seed = seed << 40 | seed;
        DX_CHECK_EQ(dx_hbtp_limiter_init(&secret, &d), 0);
        for (size_t i = 0; i < 9; i++) DX_CHECK_EQ(dx_hbtp_limiter_take(&secret, chosen[i], 50, NULL), 0);
    }
}

DX_TEST(every_bit_of_a_key_moves_half_of_its_hash)
{
    const uint64_t seed = 0x0706050403020100u;
    uint32_t seen[2] = {0, 0};
    for (uint64_t key = 0; key < 4096; key++) {
        const uint32_t h = dx_hbtp_p_keyed_hash(seed, key);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint32_t change = h ^ dx_hbtp_p_keyed_hash(seed, key ^ (uint64_t)1 << bit);
            for (seen[1] += 32; change; change &= change - 1) seen[0]++;
        }
    }
    DX_CHECK(seen[0] > seen[1] / 2 - seen[1] / 100 && seen[0] < seen[1] / 2 + seen[1] / 100);
}

/* >>header fields ------------------------------------------------------ */
DX_TEST(mw_8_no_fields_at_all)
{
    dx_hbtp_headers none;
    size_t size = 0;
    memset(&none, 0, sizeof none); /* text is NULL */
    DX_CHECK(dx_hbtp_headers_find(&none, "Origin", &size) == NULL);
}

static dx_hbtp_headers headers(const char *text, size_t capacity)
{
    static char memory[3][512];
    static int turn;
    dx_hbtp_headers h;
    h.text = memory[turn++ % 3];
    h.size = strlen(text);
    h.capacity = capacity;
    memcpy(h.text, text, h.size);
    return h;
}

static void check_field(const dx_hbtp_headers *h, const char *name, const char *want)
{
    size_t size = 0;
    const char *value = dx_hbtp_headers_find(h, name, &size);
    DX_CHECK_EQ(value != NULL, want != NULL);
    if (!want) return;
    DX_CHECK_EQ(size, strlen(want));
    DX_CHECK_MEM(value, want, size);
}

DX_TEST(mw_8_names_are_found_in_any_case)
{
    dx_hbtp_headers h = headers("Host: a\r\nno colon here\r\n:empty\r\nX-Long-Name:  v w\t \r\n"
                                "HOST: second\r\nEmpty:\r\nbare: lf\nlast: x", 512);
    check_field(&h, "host", "a");
    check_field(&h, "HoSt", "a");
    check_field(&h, "x-long-name", "v w");
    check_field(&h, "X-LONG-NAME", "v w");
    check_field(&h, "x-long", NULL);
    check_field(&h, "x-long-name-more", NULL);
    check_field(&h, "empty", "");
    check_field(&h, "BARE", "lf");
    check_field(&h, "LAST", "x");
    check_field(&h, "lasts", NULL);
    h.size = 0;
    check_field(&h, "host", NULL);
}

DX_TEST(mw_8_fields_are_added_whole_and_cannot_break_lines)
{
    for (size_t capacity = 0; capacity < 14; capacity++) {
        dx_hbtp_headers h = headers("", capacity);
        int want = capacity < 9 ? DX_HBTP_ENOSPACE : 0;
        DX_CHECK_EQ(dx_hbtp_headers_add(&h, "Ab", "xyz"), want);
        DX_CHECK_EQ(h.size, want ? 0 : 9);
        if (!want) DX_CHECK_MEM(h.text, "Ab: xyz\r\n", 9);
    }
    dx_hbtp_headers h = headers("", 100);
    static const char *const names[] = {"", "a b", "a:", "a\r\nb", "\xc3\xa4", "a\x7f", "(a)"};
    static const char *const values[] = {"a\r\nb: c", "\n", "a\rb", "\x01", "\x7f"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DX_CHECK_EQ(dx_hbtp_headers_add(&h, names[i], "v"), DX_HBTP_EINVAL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        DX_CHECK_EQ(dx_hbtp_headers_add(&h, "a", values[i]), DX_HBTP_EINVAL);
    DX_CHECK_EQ(h.size, 0);
    DX_CHECK_EQ(dx_hbtp_headers_add(&h, "!#$%&'*+-.^_`|~09azAZ", "tab\tand \xc3\xa4"), 0);
    DX_CHECK_EQ(dx_hbtp_headers_add(NULL, "a", "b"), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_headers_add(&h, NULL, "b"), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_headers_add(&h, "a", NULL), DX_HBTP_EINVAL);
}

DX_PROPERTY(mw_8_any_bytes_are_searched_safely, 500)
{
    char text[64], *p;
    size_t n = (size_t)dx_choose(c, sizeof text), size = 0;
    dx_choose_bytes(c, text, n);
    for (size_t i = 0; i < n; i++)
        if (dx_choose(c, 2) == 1) text[i] = "Aa: \r\n"[dx_choose(c, 5)];
    p = (char *)malloc(n ? n : 1);
    memcpy(p, text, n);
    dx_hbtp_headers h;
    h.text = p;
    h.size = h.capacity = n;
    const char *value = dx_hbtp_headers_find(&h, "a", &size);
    if (value) DX_CHECK(value >= p && value + size <= p + n);
    free(p);
}

/* >>timing ------------------------------------------------------------- */
static uint64_t test_clock;
typedef struct timed { dx_hbtp_headers response; uint64_t begun; trail t; } timed;

static inline int timing_before(const dx_hbtp_context *c)
{
    ((timed *)c->user)->begun = test_clock;
    return 0;
}
static inline int timing_after(const dx_hbtp_context *c, int result)
{
    timed *t = (timed *)c->user;
    int error = dx_hbtp_headers_add_time(&t->response, t->begun, test_clock);
    return error ? error : result;
}
static inline int gate_before(const dx_hbtp_context *c) { return ((timed *)c->user)->t.stop_with; }
static inline int gate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static int timed_handler(const dx_hbtp_context *c)
{
    test_clock += 1234567;
    return ((timed *)c->user)->t.handler_result;
}
DX_HBTP_CHAIN(timed_chain, timed_handler, timing, gate)

DX_TEST(p16_mw_5_every_path_has_a_response_time)
{
    static const struct { int stop, handler; const char *time; } paths[] = {
        {0, 0, "1.234ms"}, {401, 0, "0.000ms"}, {429, 0, "0.000ms"}, {DX_HBTP_STOP, 0, "0.000ms"},
        {0, 500, "1.234ms"}, {0, DX_HBTP_ENOTFOUND, "1.234ms"}, {0, DX_HBTP_LATER, "1.234ms"}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        timed t;
        dx_hbtp_context context;
        memset(&t, 0, sizeof t);
        memset(&context, 0, sizeof context);
        context.user = &t;
        t.response = headers("", 200);
        t.t.stop_with = paths[i].stop;
        t.t.handler_result = paths[i].handler;
        int result = timed_chain(&context);
        DX_CHECK_EQ(result, paths[i].stop == DX_HBTP_STOP ? 0 : paths[i].stop ? paths[i].stop : paths[i].handler);
        check_field(&t.response, "x-response-time", paths[i].time);
    }
}

DX_PROPERTY(p16_mw_5_the_time_is_what_a_printer_would_write_and_never_negative, 300)
{
    uint64_t begun = dx_choose(c, UINT64_MAX), now = dx_choose(c, 1) ? dx_choose(c, UINT64_MAX) : begun + dx_choose(c, 5000000);
    char want[64];
    const uint64_t us = now > begun ? (now - begun) / 1000 : 0;
    snprintf(want, sizeof want, "%llu.%03ums", (unsigned long long)(us / 1000), (unsigned)(us % 1000));
    dx_hbtp_headers h = headers("", 100);
    DX_CHECK_EQ(dx_hbtp_headers_add_time(&h, begun, now), 0);
    check_field(&h, "X-Response-Time", want);
}

DX_TEST(mw_6_quota_fields)
{
    dx_hbtp_quota q;
    q.limit = 1000;
    q.remaining = 0;
    q.retry_ns = 1000000001;
    dx_hbtp_headers h = headers("", 200);
    DX_CHECK_EQ(dx_hbtp_headers_add_quota(&h, &q), 0);
    check_field(&h, "x-ratelimit-limit", "1000");
    check_field(&h, "x-ratelimit-remaining", "0");
    check_field(&h, "retry-after", "2");
    const size_t all = h.size;
    q.retry_ns = 1000000000;
    h = headers("", 200);
    DX_CHECK_EQ(dx_hbtp_headers_add_quota(&h, &q), 0);
    check_field(&h, "retry-after", "1");
    for (size_t capacity = 0; capacity < all; capacity++) { /* all or nothing */
        h = headers("", capacity);
        DX_CHECK_EQ(dx_hbtp_headers_add_quota(&h, &q), DX_HBTP_ENOSPACE);
        DX_CHECK_EQ(h.size, 0);
    }
    q.retry_ns = 0;
    h = headers("", 200);
    DX_CHECK_EQ(dx_hbtp_headers_add_quota(&h, &q), 0);
    check_field(&h, "retry-after", NULL);
    DX_CHECK_EQ(dx_hbtp_headers_add_quota(NULL, &q), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_headers_add_quota(&h, NULL), DX_HBTP_EINVAL);
}

/* >>cors --------------------------------------------------------------- */
static const char *const known[] = {"https://a.example", "https://b.example:8443"};

DX_TEST(mw_7_cors_names_only_origins_of_the_list)
{
    dx_hbtp_cors cors = {known, 2, NULL, NULL, NULL, true};
    static const char *const origins[] = {"https://a.example", "https://b.example:8443",
                                          "https://a.example.evil", "https://a.exampl", "null",
                                          "HTTPS://A.EXAMPLE", "https://b.example", ""};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        char text[100];
        snprintf(text, sizeof text, "oRIGIN: %s\r\n", origins[i]);
        dx_hbtp_headers request = headers(text, 512), response = headers("", 512);
        DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "GET", &request, &response), 0);
        check_field(&response, "vary", "Origin");
        check_field(&response, "access-control-allow-origin", i < 2 ? origins[i] : NULL);
        check_field(&response, "access-control-allow-credentials", i < 2 ? "true" : NULL);
        check_field(&response, "access-control-allow-methods", NULL);
    }
    dx_hbtp_headers request = headers("", 512), response = headers("", 512);
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "GET", &request, &response), 0);
    check_field(&response, "vary", "Origin");
    check_field(&response, "access-control-allow-origin", NULL);
}

DX_TEST(mw_7_cors_preflights_stop_the_chain)
{
    static const char *const any[] = {"*"};
    dx_hbtp_cors cors = {known, 2, "PUT", "X-A, X-B", "600", false};
    dx_hbtp_headers request = headers("Origin: https://a.example\r\n"
                                      "Access-Control-Request-Method: PUT\r\n", 512);
    dx_hbtp_headers response = headers("", 512);
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "OPTIONS", &request, &response), DX_HBTP_STOP);
    check_field(&response, "access-control-allow-origin", "https://a.example");
    check_field(&response, "access-control-allow-credentials", NULL);
    check_field(&response, "access-control-allow-methods", "PUT");
    check_field(&response, "access-control-allow-headers", "X-A, X-B");
    check_field(&response, "access-control-max-age", "600");
    for (size_t capacity = 0; capacity < response.size; capacity++) {
        char memory[512];
        dx_hbtp_headers small = {memory, 0, capacity};
        DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "OPTIONS", &request, &small), DX_HBTP_ENOSPACE);
    }
    response.size = 0;
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "PUT", &request, &response), 0); /* not a preflight */
    check_field(&response, "access-control-allow-methods", NULL);
    request = headers("Origin: https://evil\r\nAccess-Control-Request-Method: PUT\r\n", 512);
    response.size = 0;
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "OPTIONS", &request, &response), DX_HBTP_STOP);
    check_field(&response, "access-control-allow-origin", NULL);
    request = headers("Origin: https://evil\r\n", 512);
    response.size = 0;
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "OPTIONS", &request, &response), 0);
    cors.origins = any;
    cors.origin_count = 1;
    cors.credentials = true; /* never together with "*" */
    response.size = 0;
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, "GET", &request, &response), 0);
    check_field(&response, "access-control-allow-origin", "*");
    check_field(&response, "access-control-allow-credentials", NULL);
    DX_CHECK_EQ(dx_hbtp_cors_before(NULL, "GET", &request, &response), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_cors_before(&cors, NULL, &request, &response), DX_HBTP_EINVAL);
}
