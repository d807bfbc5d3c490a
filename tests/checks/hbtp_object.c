/* For tests/checks/hbtp.sh, which reads the machine code of chained(), by_hand() and guarded(), and counts the
   instructions of measured() with 1, 12 and 256 routes.   usage: hbtp_object ROUTES */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_middleware.h"
#include "../../layers/dx_token.h"
#include <stdlib.h>

/* Three hooks with state of their own, each in its own cache line: a gate, a counter with a limit, two sums. */
typedef struct state {
    uint64_t authorised;
    uint64_t pad1[7];
    uint64_t count, limit;
    uint64_t pad2[6];
    uint64_t bytes_in, failures;
} state;

static inline int gate_before(const dx_hbtp_context *c) { return ((state *)c->user)->authorised ? 0 : 401; }
static inline int gate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int limit_before(const dx_hbtp_context *c)
{
    state *s = (state *)c->user;
    return s->count++ < s->limit ? 0 : 429;
}
static inline int limit_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int sum_before(const dx_hbtp_context *c)
{
    ((state *)c->user)->bytes_in += c->payload_size;
    return 0;
}
static inline int sum_after(const dx_hbtp_context *c, int result)
{
    if (result) ((state *)c->user)->failures++;
    return result;
}
__attribute__((noinline)) int handler(const dx_hbtp_context *c);
__attribute__((noinline)) int handler(const dx_hbtp_context *c) { return c->payload_size > 1000 ? 413 : 0; }

int chained(const dx_hbtp_context *c);
int by_hand(const dx_hbtp_context *c);
DX_HBTP_CHAIN(chain, handler, gate, limit, sum)
__attribute__((noinline)) int chained(const dx_hbtp_context *c) { return chain(c); }

/* The equivalent written without the macro. */
__attribute__((noinline)) int by_hand(const dx_hbtp_context *c)
{
    state *s = (state *)c->user;
    int result = 401;
    if (s->authorised) {
        result = 429;
        if (s->count++ < s->limit) {
            s->bytes_in += c->payload_size;
            result = handler(c);
            if (result) s->failures++;
        }
    }
    return result == DX_HBTP_STOP ? DX_HBTP_OK : result;
}

/* The hooks of the layers: a token, verified once per connection; a rate limit; CORS. */
typedef struct guards {
    dx_token_rules        rules;
    dx_token_claims       claims;
    const char           *token;
    size_t                token_size;
    bool                  authorised;
    dx_middleware_limiter limiter;
    dx_middleware_cors    cors;
    const char           *method;
    dx_middleware_fields  request;
    dx_middleware_fields  response;
} guards;

static inline int auth_before(const dx_hbtp_context *c)
{
    guards *g = (guards *)c->user;
    int error;
    if (g->authorised) return 0;
    error = dx_token_verify(&g->rules, g->token, g->token_size, c->now_ns / 1000000000u, &g->claims);
    g->authorised = !error;
    return error ? dx_token_status_of_error(error) : 0;
}
static inline int auth_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int rate_before(const dx_hbtp_context *c)
{
    return dx_middleware_limiter_take(&((guards *)c->user)->limiter, 1, c->now_ns, NULL);
}
static inline int rate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int cors_before(const dx_hbtp_context *c)
{
    guards *g = (guards *)c->user;
    return dx_middleware_cors_before(&g->cors, g->method, &g->request, &g->response);
}
static inline int cors_after(const dx_hbtp_context *c, int result) { (void)c; return result; }

int guarded(const dx_hbtp_context *c);
DX_HBTP_CHAIN(guarded_chain, handler, auth, rate, cors)
__attribute__((noinline)) int guarded(const dx_hbtp_context *c) { return guarded_chain(c); }

static int answer(const dx_hbtp_context *c) { return (int)c->payload_size & 0; }

int measured(dx_hbtp_session *s, const uint8_t *bytes, size_t size);
__attribute__((noinline)) int measured(dx_hbtp_session *s, const uint8_t *bytes, size_t size)
{
    return dx_hbtp_feed(s, bytes, size, 0) == (int64_t)size;
}

int main(int argc, char **argv)
{
    static uint64_t memory[1024];
    static dx_hbtp_router router;
    static uint8_t bytes[4096], out_memory[4096];
    const int routes = argc > 1 ? atoi(argv[1]) : 1;
    dx_hbtp_out out, wire;
    dx_hbtp_session s;
    dx_hbtp_session_desc d = {0};
    size_t size;
    state hooks = {1, {0}, 0, 1u << 30, {0}, 0, 0};
    dx_hbtp_router_init(&router);
    for (int i = 0; i < routes; i++) dx_hbtp_router_set_method(&router, (uint8_t)i, answer, NULL);
    dx_hbtp_out_init(&out, out_memory, sizeof out_memory);
    dx_hbtp_out_init(&wire, bytes, sizeof bytes);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.payload_max = 1024;
    d.out = &out;
    d.router = &router;
    if (dx_hbtp_session_init(&s, &d)) return 1;
    for (uint16_t i = 1; i < 101; i++) dx_hbtp_write_rpc_call(&wire, i, 0, "x", 1);
    const uint8_t *p = dx_hbtp_out_data(&wire, &size);
    dx_hbtp_context context = {&s, &out, NULL, p, size, 0, &hooks};
    if (chained(&context) != by_hand(&context)) return 2;
    static guards none;
    context.user = &none;
    if (guarded(&context) != 400) return 3; /* no token, no rules */
    return !measured(&s, p, size);
}
