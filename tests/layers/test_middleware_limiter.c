/* Tests of the limiter of layers/dx_middleware.h: rate limits. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_middleware.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../half_siphash.h"

static dx_middleware_limiter limiter(uint32_t limit, uint64_t period, uint32_t burst, bool window,
                               void *memory, size_t size)
{
    dx_middleware_limiter l;
    dx_middleware_limiter_desc d;
    memset(&d, 0, sizeof d);
    d.limit = limit;
    d.period_ns = period;
    d.burst = burst;
    d.window = window;
    d.memory = memory;
    d.memory_size = size;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
    return l;
}

DX_TEST(p17_mw_6_the_window_is_exact_at_its_edges_and_per_worker)
{
    dx_middleware_limiter one = limiter(0, 0, 0, true, NULL, 0), two = one;
    dx_middleware_quota q;
    const uint64_t second = 1000000000u, begin = 5 * second + 17;
    for (uint32_t i = 0; i < 1000; i++) {
        DX_CHECK_EQ(dx_middleware_limiter_take(&one, 0, begin + i, &q), 0);
        DX_CHECK_EQ(q.limit, 1000);
        DX_CHECK_EQ(q.remaining, 999 - i);
        DX_CHECK_EQ(q.retry_delay_ns, 0);
    }
    DX_CHECK_EQ(dx_middleware_limiter_take(&one, 0, begin + second - 1, &q), 429);
    DX_CHECK_EQ(q.remaining, 0);
    DX_CHECK_EQ(q.retry_delay_ns, 1);
    DX_CHECK_EQ(dx_middleware_limiter_take(&two, 0, begin + second - 1, &q), 0); /* another worker */
    DX_CHECK_EQ(q.remaining, 999);
    DX_CHECK_EQ(dx_middleware_limiter_take(&one, 0, begin + second, &q), 0);
    DX_CHECK_EQ(q.remaining, 999);
    DX_CHECK_EQ(dx_middleware_limiter_take(&one, 0, begin, NULL), 0); /* the clock went back: it still counts */
    DX_CHECK_EQ(dx_middleware_limiter_take(&one, 0, begin + second, &q), 0);
    DX_CHECK_EQ(q.remaining, 997);
}

DX_TEST(mw_6_the_bucket_is_exact_and_never_gives_more)
{
    dx_middleware_limiter l = limiter(4, 1000, 2, false, NULL, 0); /* one per 250, a burst of two */
    dx_middleware_quota q;
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10000, &q), 0);
    DX_CHECK_EQ(q.remaining, 1);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10000, &q), 0);
    DX_CHECK_EQ(q.remaining, 0);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10000, &q), 429);
    DX_CHECK_EQ(q.retry_delay_ns, 250);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10249, &q), 429);
    DX_CHECK_EQ(q.retry_delay_ns, 1);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10250, &q), 0);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 10251, &q), 429);
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 99999, &q), 0);
    DX_CHECK_EQ(q.remaining, 1);
}

DX_TEST(mw_6_a_clock_at_its_end_forgets_nothing)
{
    const uint64_t clocks[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 999, (uint64_t)1 << 63};
    for (size_t i = 0; i < 4; i++) {
        for (int window = 0; window <= 1; window++) {
            dx_middleware_limiter l = limiter(3, UINT64_MAX / 4, 3, window != 0, NULL, 0);
            dx_middleware_quota q;
            if (!window) l = limiter(3, 3000, 3, false, NULL, 0);
            for (int k = 0; k < 6; k++) {
                DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, clocks[i], &q), k < 3 ? 0 : 429);
                DX_CHECK(k < 3 || (q.retry_delay_ns > 0 && q.retry_delay_ns <= UINT64_MAX / 4));
            }
        }
    }
}

DX_PROPERTY(p17_mw_6_no_stretch_of_time_holds_more_than_the_limit, 300)
{
    static uint64_t taken[400];
    uint32_t limit = (uint32_t)dx_choose_range(c, 1, 20), burst = (uint32_t)dx_choose_range(c, 1, 20);
    uint64_t period = dx_choose_range(c, 1, 1000), now = dx_choose(c, 5000);
    bool window = dx_choose(c, 1) != 0;
    dx_middleware_limiter l = limiter(limit, period, burst, window, NULL, 0);
    size_t count = 0;
    for (int i = 0; i < 400; i++) {
        now += dx_choose(c, 3) ? dx_choose(c, 3) : dx_choose(c, period);
        dx_middleware_quota q;
        if (!dx_middleware_limiter_take(&l, 0, now, &q)) taken[count++] = now;
        else if (q.retry_delay_ns > 0) { /* exact: then there is room, and not a moment before */
            dx_middleware_limiter copy = l;
            DX_CHECK_EQ(dx_middleware_limiter_take(&copy, 0, now + q.retry_delay_ns - 1, NULL), 429);
            DX_CHECK_EQ(dx_middleware_limiter_take(&copy, 0, now + q.retry_delay_ns, NULL), 0);
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
    dx_middleware_limiter l = limiter(5, 1000, 5, window, memory, sizeof memory);
    uint32_t of_key[100] = {0}, others = 0;
    DX_CHECK_EQ(l.sets_, 2);
    for (int i = 0; i < 600; i++) {
        uint64_t key = dx_choose(c, 99);
        if (!dx_middleware_limiter_take(&l, key, 7, NULL)) of_key[key]++;
    }
    for (int i = 0; i < 100; i++) {
        DX_CHECK(of_key[i] <= 5);
        others += of_key[i];
    }
    DX_CHECK(others <= 16 * 5); /* all keys together: at most what the slots hold */
}

DX_TEST(mw_6_keys_have_counts_of_their_own)
{
    static uint64_t memory[24];
    dx_middleware_limiter l = limiter(3, 1000, 3, false, memory, sizeof memory);
    for (uint64_t key = 1; key <= 8; key++)
        for (int i = 0; i < 4; i++)
            DX_CHECK_EQ(dx_middleware_limiter_take(&l, key, 50, NULL), i < 3 ? 0 : 429);
    dx_middleware_limiter_desc d;
    memset(&d, 0, sizeof d);
    DX_CHECK_EQ(dx_middleware_limiter_init(NULL, &d), DX_MIDDLEWARE_EINVAL);
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, NULL), DX_MIDDLEWARE_EINVAL);
    d.memory = memory;
    d.memory_size = 191;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.memory_size = 192;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
    d.memory = (uint8_t *)memory + 4;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.memory = NULL;
    d.period_ns = UINT64_MAX / 4;
    d.limit = 1;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
    d.burst = 2;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.period_ns++;
    d.burst = 1;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.limit = 1000; /* a period too long for its arithmetic, however cheap a request is */
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.period_ns = UINT64_MAX;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    d.period_ns = UINT64_MAX / 4;
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
}

/* Keys chosen by an adversary for one seed: they share a set there, but with another seed they are
   spread. */
DX_TEST(mw_6_chosen_keys_lock_nobody_out)
{
    static uint64_t memory[24 * 64];
    dx_middleware_limiter_desc d;
    dx_middleware_limiter known, secret;
    uint64_t chosen[9], key = 0;
    size_t count = 0;
    memset(&d, 0, sizeof d);
    d.limit = d.burst = 1;
    d.memory = memory;
    d.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_middleware_limiter_init(&known, &d), 0);
    DX_CHECK_EQ(known.sets_, 64);
    for (; count < 9; key++)
        if ((dx_middleware_p_keyed_hash(0, key) & 63) == 5) chosen[count++] = key;
    for (size_t i = 0; i < 8; i++) DX_CHECK_EQ(dx_middleware_limiter_take(&known, chosen[i], 50, NULL), 0);
    DX_CHECK_EQ(dx_middleware_limiter_take(&known, chosen[8], 50, NULL), 429); /* without a seed */
    for (uint64_t seed = 1; seed < 100; seed++) {
        d.seed = seed << 40 | seed;
        DX_CHECK_EQ(dx_middleware_limiter_init(&secret, &d), 0);
        for (size_t i = 0; i < 9; i++) DX_CHECK_EQ(dx_middleware_limiter_take(&secret, chosen[i], 50, NULL), 0);
    }
}

DX_TEST(the_hash_of_a_key_is_halfsiphash_1_3) { check_half_siphash_1_3(dx_middleware_p_keyed_hash); }

/* The limiter as its head comment explains it: debts instead of times, and a set of eight as a
   list. */
typedef struct model_meter { uint64_t key, debt, paid_at, begun; } model_meter;

DX_PROPERTY(mw_6_a_set_of_meters_is_what_its_description_says, 400)
{
    static uint64_t memory[24];
    model_meter model[8];
    const uint64_t limit = dx_choose_range(c, 1, 6), burst = dx_choose_range(c, 1, 6);
    const uint64_t period = dx_choose_range(c, 1, 400), cost = (period + limit - 1) / limit;
    const bool window = dx_choose(c, 1) != 0;
    uint64_t now = dx_choose(c, 1000);
    dx_middleware_limiter l = limiter((uint32_t)limit, period, (uint32_t)burst, window, memory, sizeof memory);
    memset(model, 0, sizeof model);
    for (int i = 0; i < 120; i++) {
        const uint64_t key = dx_choose(c, 11);
        size_t found = 0, k;
        bool admitted;
        now += dx_choose(c, 2) ? dx_choose(c, cost) : dx_choose(c, period * 2);
        for (k = 0; k < 8; k++) { /* time pays debts off */
            model_meter *const m = &model[k];
            if (window && now - m->begun >= period) m->debt = 0;
            if (!window) m->debt -= m->debt < now - m->paid_at ? m->debt : now - m->paid_at;
            m->paid_at = now;
        }
        for (k = 0; k < 8 && model[k].key != key; k++)
            if (model[k].debt < model[found].debt) found = k;
        if (k < 8) found = k;
        model_meter *const m = &model[found];
        m->key = key;
        dx_middleware_quota q;
        memset(&q, 0xee, sizeof q);
        const int error = dx_middleware_limiter_take(&l, key, now, &q);
        admitted = window ? m->debt < limit : m->debt <= (burst - 1) * cost;
        DX_CHECK_EQ(error, admitted ? 0 : DX_MIDDLEWARE_TOO_MANY);
        DX_CHECK_EQ(q.limit, limit);
        if (!admitted) {
            DX_CHECK_EQ(q.remaining, 0);
            DX_CHECK_EQ(q.retry_delay_ns, window ? m->begun + period - now : m->debt - (burst - 1) * cost);
            continue;
        }
        if (!m->debt) m->begun = now;
        m->debt += window ? 1 : cost;
        DX_CHECK_EQ(q.retry_delay_ns, 0);
        DX_CHECK_EQ(q.remaining, window ? limit - m->debt : (burst * cost - m->debt) / cost);
    }
}

DX_TEST(mw_6_memory_is_aligned_to_eight_and_used_for_a_power_of_two_of_sets)
{
    static uint64_t memory[24 * 40 + 1];
    dx_middleware_limiter_desc d;
    dx_middleware_limiter l;
    memset(&d, 0, sizeof d);
    for (size_t at = 1; at < 8; at++) {
        d.memory = (uint8_t *)memory + at;
        d.memory_size = 192 * 8;
        DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), DX_MIDDLEWARE_EINVAL);
    }
    d.memory = memory;
    for (size_t sets = 1, power = 1; sets <= 40; sets++) {
        if (sets == power * 2) power = sets;
        for (size_t more = 0; more < 192; more += 191) {
            d.memory_size = sets * 192 + more;
            memset(memory, 0xa5, sizeof memory);
            DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
            for (size_t i = 0; i < sizeof memory / 8; i++) /* cleared, and no word beyond it */
                DX_CHECK_EQ(memory[i], i < power * 24 ? 0 : UINT64_C(0xa5a5a5a5a5a5a5a5));
        }
    }
}

DX_TEST(mw_6_the_defaults_are_1000_a_second_at_once)
{
    dx_middleware_limiter_desc d;
    dx_middleware_limiter l;
    dx_middleware_quota q;
    memset(&d, 0, sizeof d);
    DX_CHECK_EQ(dx_middleware_limiter_init(&l, &d), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        DX_CHECK_EQ(dx_middleware_limiter_take(&l, i, 77, &q), 0);
        DX_CHECK_EQ(q.limit, 1000);
        DX_CHECK_EQ(q.remaining, 999 - i);
    }
    DX_CHECK_EQ(dx_middleware_limiter_take(&l, 0, 77, &q), DX_MIDDLEWARE_TOO_MANY);
    DX_CHECK_EQ(q.retry_delay_ns, 1000000);
}

DX_TEST(every_bit_of_a_key_moves_half_of_its_hash)
{
    const uint64_t seed = 0x0706050403020100u;
    uint32_t seen[2] = {0, 0};
    for (uint64_t key = 0; key < 4096; key++) {
        const uint32_t h = dx_middleware_p_keyed_hash(seed, key);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint32_t change = h ^ dx_middleware_p_keyed_hash(seed, key ^ (uint64_t)1 << bit);
            for (seen[1] += 32; change; change &= change - 1) seen[0]++;
        }
    }
    DX_CHECK(seen[0] > seen[1] / 2 - seen[1] / 100 && seen[0] < seen[1] / 2 + seen[1] / 100);
}

DX_TEST(the_errors_of_a_limiter_have_names)
{
    DX_CHECK_STR(dx_middleware_error_name(DX_MIDDLEWARE_OK), "DX_MIDDLEWARE_OK");
    DX_CHECK_STR(dx_middleware_error_name(DX_MIDDLEWARE_EINVAL), "DX_MIDDLEWARE_EINVAL");
    DX_CHECK_STR(dx_middleware_error_name(429), "unknown error");
    DX_CHECK_STR(dx_middleware_error_name(-1000), "unknown error");
}
