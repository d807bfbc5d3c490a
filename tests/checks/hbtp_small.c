/* Size on a microcontroller, for tests/checks/hbtp.sh: linked without unused code. SMALL 0:
   nothing; 1: parse, route, reply; 2: a session with limits and streams, with three
   hooks. */
#define DX_HBTP_IMPLEMENTATION
#define DX_HBTP_STATIC
#ifndef NDEBUG
  #define NDEBUG
#endif
#define DX_HBTP_SMALL
#include "../../dx_hbtp.h"
#define DX_MIDDLEWARE_IMPLEMENTATION
#define DX_MIDDLEWARE_STATIC
#include "../../layers/dx_middleware.h"

#ifndef SMALL
  #define SMALL 2
#endif

static uint8_t uart_in[256], uart_out[256];
volatile size_t uart_size;

#if SMALL == 1
/* Routes may be in flash: one table of functions, indexed by the opcode. */
typedef int reply_fn(dx_hbtp_out *out, const dx_hbtp_frame *f);
static int on_ping(dx_hbtp_out *out, const dx_hbtp_frame *f)
{
    return dx_hbtp_write_pong(out, f->sequence, f->payload, f->payload_size);
}
static int on_nothing(dx_hbtp_out *out, const dx_hbtp_frame *f)
{
    (void)out;
    (void)f;
    return 0;
}
static reply_fn *const routes[2] = {on_ping, on_nothing};

int main(void)
{
    dx_hbtp_out out; /* all the state there is */
    dx_hbtp_frame f;
    int64_t used;
    dx_hbtp_out_init(&out, uart_out, sizeof uart_out);
    for (;;) {
        used = dx_hbtp_parse(uart_in, uart_size, sizeof uart_in, &f);
        if (used > 0) (void)routes[f.opcode & 1](&out, &f);
        uart_size = out.used_;
    }
}
#elif SMALL == 2
static dx_hbtp_session session;
static dx_hbtp_router router;
static dx_hbtp_out out;
static uint64_t memory[64];
static dx_middleware_limiter limiter;
static uint32_t counted, summed;

static int gate_before(const dx_hbtp_context *c) { return dx_middleware_limiter_take(&limiter, 0, c->now_ns, NULL); }
static int gate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static int count_before(const dx_hbtp_context *c) { (void)c; counted++; return 0; }
static int count_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static int sum_before(const dx_hbtp_context *c) { summed += (uint32_t)c->payload_size; return 0; }
static int sum_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static int answer(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}
DX_HBTP_CHAIN(chained, answer, gate, count, sum)

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    if (e->kind == DX_HBTP_STREAM_FINISHED) return dx_hbtp_finish(s, e->stream, 0, NULL);
    if (e->kind != DX_HBTP_STREAM_CHUNK) return 0;
    (void)dx_hbtp_send(s, e->stream, e->data, e->size);
    return dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
}

int main(void)
{
    dx_hbtp_session_desc d = {0};
    dx_middleware_limiter_desc limits = {0};
    dx_middleware_limiter_init(&limiter, &limits);
    dx_hbtp_router_init(&router);
    dx_hbtp_router_set_method(&router, 1, chained, NULL);
    dx_hbtp_out_init(&out, uart_out, sizeof uart_out);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.out = &out;
    d.router = &router;
    d.on_stream = on_stream;
    d.payload_max = 128;
    d.outstanding_max = 1;
    d.streams_max = 2;
    if (dx_hbtp_session_init(&session, &d)) return 1;
    for (;;) {
        (void)dx_hbtp_feed(&session, uart_in, uart_size, 0);
        uart_size = (size_t)dx_hbtp_tick(&session, 0);
    }
}
#else
int main(void)
{
    for (;;) uart_size = uart_in[0] + uart_out[0];
}
#endif

#ifndef USE
/* The C library's part, counted in every variant. */
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
__attribute__((used)) void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}
__attribute__((used)) void *memmove(void *to, const void *from, size_t size) { return memcpy(to, from, size); }
__attribute__((used)) void *memset(void *to, int value, size_t size)
{
    for (size_t i = 0; i < size; i++) ((volatile char *)to)[i] = (char)value;
    return to;
}
#endif
