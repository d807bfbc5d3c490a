/* Tests of the middleware of dx_hbtp.h: chains of hooks. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>chains ------------------------------------------------------------- */
typedef struct trail { /* what ran, in order: 'a' before, 'A' after, 'h' the handler */
    char     text[40];
    size_t   size;
    int      stop_at, stop_with, handler_result; /* stop_at: 0..2, or -1 for none */
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
        d.payload_max = 256;
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
