/* Tests of dx_hbtp.h that mutants called for: exact errors for wrong arguments, and values that every other test
   reads only in combination. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../half_siphash.h"

#define REFUSED(call) DX_CHECK_EQ((call), DX_HBTP_EINVAL)

/* >>arguments ---------------------------------------------------------- */
DX_TEST(hb_parsers_refuse_null)
{
    static const uint8_t bytes[16] = {DX_HBTP_OP_PING, 0, 1, 0, 0, 0, 0, 0};
    dx_hbtp_descriptor d;
    dx_hbtp_frame frame;
    uint32_t order;
    uint16_t status;
    const char *text;
    size_t count, size;
    DX_CHECK_EQ(dx_hbtp_parse_any(bytes, sizeof bytes, 100, &frame), 8);
    REFUSED(dx_hbtp_parse_any(bytes, sizeof bytes, 100, NULL));
    REFUSED(dx_hbtp_parse_any(NULL, 1, 100, &frame));
    REFUSED(dx_hbtp_parse(bytes, sizeof bytes, 100, NULL));
    REFUSED(dx_hbtp_parse(NULL, 8, 100, &frame));
    REFUSED(dx_hbtp_resolve_extended(NULL));
    REFUSED(dx_hbtp_parse_batch(bytes, sizeof bytes, 100, &d, 1, NULL));
    REFUSED(dx_hbtp_parse_batch(NULL, 1, 100, &d, 1, &count));
    REFUSED(dx_hbtp_parse_batch(bytes, sizeof bytes, 100, NULL, 1, &count));
    REFUSED(dx_hbtp_group(NULL, 1, &order));
    REFUSED(dx_hbtp_group(&d, 1, NULL));
    REFUSED(dx_hbtp_parse_rpc_error(NULL, &status, &text, &size));
    REFUSED(dx_hbtp_parse_rpc_error(&frame, NULL, &text, &size));
    REFUSED(dx_hbtp_parse_rpc_error(&frame, &status, NULL, &size));
    REFUSED(dx_hbtp_parse_rpc_error(&frame, &status, &text, NULL));
}

DX_TEST(hb_writers_refuse_null)
{
    static uint8_t memory[512];
    uint8_t byte = 0;
    dx_hbtp_out out, none;
    memset(&none, 0, sizeof none);
    REFUSED(dx_hbtp_out_init(NULL, memory, sizeof memory));
    REFUSED(dx_hbtp_out_init(&out, NULL, sizeof memory));
    DX_CHECK_EQ(dx_hbtp_out_init(&out, memory, sizeof memory), 0);
    REFUSED(dx_hbtp_out_consume(NULL, 0));
    REFUSED(dx_hbtp_out_consume(&out, 1));
    REFUSED(dx_hbtp_write_frame(NULL, DX_HBTP_OP_PING, 0, 1, &byte, 1));
    REFUSED(dx_hbtp_write_frame(&none, DX_HBTP_OP_PING, 0, 1, &byte, 1));
    REFUSED(dx_hbtp_write_frame(&out, DX_HBTP_OP_PING, 0, 1, NULL, 1));
    REFUSED(dx_hbtp_write_pong(NULL, 1, &byte, 1));
    REFUSED(dx_hbtp_write_pong(&out, 1, NULL, 1));
    REFUSED(dx_hbtp_write_rpc_call(NULL, 1, 1, &byte, 1));
    REFUSED(dx_hbtp_write_rpc_call(&out, 1, 1, NULL, 1));
    REFUSED(dx_hbtp_write_rpc_response(NULL, 1, &byte, 1));
    REFUSED(dx_hbtp_write_rpc_response(&none, 1, NULL, 0));
    REFUSED(dx_hbtp_write_rpc_error(NULL, 1, 400, NULL));
    REFUSED(dx_hbtp_write_close(NULL, 0, NULL));
    REFUSED(dx_hbtp_write_state_sync(NULL, 1, false, &byte, 1));
    REFUSED(dx_hbtp_write_packed(&out, NULL, 0x100, 0, 1, &byte, 1));
    REFUSED(dx_hbtp_write_packed(&out, NULL, DX_HBTP_OP_STATE_SYNC, 0, 1, NULL, 1));
    DX_CHECK_EQ(out.used_, 0); /* nothing of what was written */
}

DX_TEST(hb_router_session_and_hub_refuse_null)
{
    dx_hbtp_router router;
    dx_hbtp_session session;
    dx_hbtp_session_desc desc;
    static uint64_t memory[1024];
    static uint8_t room[1024];
    dx_hbtp_out out;
    dx_hbtp_hub hub;
    dx_hbtp_hub_desc hub_desc;
    uint32_t stream;
    uint8_t byte = 0;
    REFUSED(dx_hbtp_router_init(NULL));
    REFUSED(dx_hbtp_router_set(NULL, 0x80, NULL, NULL));
    REFUSED(dx_hbtp_router_set_method(NULL, 1, NULL, NULL));
    DX_CHECK_EQ(dx_hbtp_router_init(&router), 0);
    REFUSED(dx_hbtp_router_set(&router, DX_HBTP_OP_RPC_RESPONSE, NULL, NULL));
    memset(&desc, 0, sizeof desc);
    DX_CHECK_EQ(dx_hbtp_out_init(&out, room, sizeof room), 0);
    desc.out = &out;
    desc.router = &router;
    desc.in_place = true;
    desc.outstanding_max = desc.pending_max = 4;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    REFUSED(dx_hbtp_session_init(NULL, &desc));
    REFUSED(dx_hbtp_session_init(&session, NULL));
    DX_CHECK_EQ(dx_hbtp_session_init(&session, &desc), 0);
    REFUSED(dx_hbtp_feed(NULL, &byte, 1, 1));
    REFUSED(dx_hbtp_feed(&session, NULL, 1, 1));
    REFUSED(dx_hbtp_request(NULL, DX_HBTP_OP_PING, 0, NULL, 0, UINT64_MAX, NULL, NULL));
    REFUSED(dx_hbtp_call(NULL, 1, NULL, 0, UINT64_MAX, NULL, NULL));
    REFUSED(dx_hbtp_reply(NULL, 1, NULL, 0));
    REFUSED(dx_hbtp_reply_error(NULL, 1, 400, NULL));
    REFUSED(dx_hbtp_close(NULL, 0, NULL));
    REFUSED(dx_hbtp_open(NULL, 1, NULL, 0, 100, NULL, &stream));
    REFUSED(dx_hbtp_open(&session, 1, NULL, 0, 100, NULL, NULL));
    REFUSED(dx_hbtp_session_set_out(NULL, &out));
    REFUSED(dx_hbtp_session_set_out(&session, NULL));
    memset(&hub_desc, 0, sizeof hub_desc);
    REFUSED(dx_hbtp_hub_init(&hub, NULL));
    REFUSED(dx_hbtp_hub_init(&hub, &hub_desc)); /* no memory */
    hub_desc.memory = memory;
    hub_desc.memory_size = sizeof memory;
    REFUSED(dx_hbtp_hub_init(NULL, &hub_desc));
    hub_desc.memory = (uint8_t *)memory + 4;
    hub_desc.memory_size = sizeof memory - 8;
    REFUSED(dx_hbtp_hub_init(&hub, &hub_desc));
    REFUSED(dx_hbtp_subscribe(NULL, &session, 1, true));
    REFUSED(dx_hbtp_publish(NULL, 1, DX_HBTP_OP_STATE_SYNC, &byte, 1));
    REFUSED(dx_hbtp_catch_up(NULL, 1, &byte, 1));
}

/* >>values ------------------------------------------------------------- */
DX_TEST(hb_a_batch_fills_every_field_of_its_descriptors)
{
    static uint8_t memory[256];
    dx_hbtp_out out;
    dx_hbtp_descriptor d[3];
    size_t size, count;
    DX_CHECK_EQ(dx_hbtp_out_init(&out, memory, sizeof memory), 0);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x81, 0x40, 0x1234, "abc", 3), 0);
    dx_hbtp_out_set_checksum(&out, true);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x82, 0, 7, "de", 2), 0);
    const uint8_t *bytes = dx_hbtp_out_data(&out, &size);
    memset(d, 0xee, sizeof d);
    DX_CHECK_EQ(dx_hbtp_parse_batch(bytes, size, 100, d, 3, &count), size);
    DX_CHECK_EQ(count, 2);
    DX_CHECK_EQ(d[0].opcode, 0x81);
    DX_CHECK_EQ(d[0].flags, 0x40);
    DX_CHECK_EQ(d[0].sequence, 0x1234);
    DX_CHECK_EQ(d[0].payload_size, 3);
    DX_CHECK_EQ(d[0].payload_offset, 8);
    DX_CHECK_EQ(d[0].reserved, 0);
    DX_CHECK_EQ(d[1].opcode, 0x82);
    DX_CHECK_EQ(d[1].flags, DX_HBTP_FLAG_HAS_CHECKSUM);
    DX_CHECK_EQ(d[1].sequence, 7);
    DX_CHECK_EQ(d[1].payload_size, 2);
    DX_CHECK_EQ(d[1].payload_offset, 11 + 8);
    DX_CHECK_EQ(d[1].reserved, 0);
}

static uint64_t seen_at;
static dx_hbtp_session *seen_session;

static int note_context(const dx_hbtp_context *c)
{
    seen_at = c->now_ns;
    seen_session = c->session;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

/* Plain frames and those with a checksum take different paths to the handler. */
DX_TEST(hb_handlers_get_the_time_of_the_feed)
{
    static uint8_t in_memory[256], out_memory[512];
    static uint64_t memory[1024];
    static dx_hbtp_router router;
    dx_hbtp_out in, out;
    dx_hbtp_session session;
    dx_hbtp_session_desc desc;
    memset(&desc, 0, sizeof desc);
    DX_CHECK_EQ(dx_hbtp_router_init(&router), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&router, 9, note_context, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_out_init(&in, in_memory, sizeof in_memory), 0);
    DX_CHECK_EQ(dx_hbtp_out_init(&out, out_memory, sizeof out_memory), 0);
    desc.out = &out;
    desc.router = &router;
    desc.in_place = true;
    desc.outstanding_max = desc.pending_max = 4;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_hbtp_session_init(&session, &desc), 0);
    for (uint64_t k = 0; k < 4; k++) {
        size_t size;
        const uint64_t now = 1000 + k * UINT64_C(5000000000);
        dx_hbtp_out_reset(&in);
        dx_hbtp_out_reset(&out);
        dx_hbtp_out_set_checksum(&in, k & 1);
        DX_CHECK_EQ(dx_hbtp_write_rpc_call(&in, (uint16_t)(k + 1), 9, "x", 1), 0);
        const uint8_t *bytes = dx_hbtp_out_data(&in, &size);
        seen_at = 1;
        DX_CHECK_EQ(dx_hbtp_feed(&session, bytes, size, now), size);
        DX_CHECK_EQ(seen_at, now);
        DX_CHECK(seen_session == &session);
    }
}

DX_TEST(the_hash_of_a_session_is_halfsiphash_1_3) { check_half_siphash_1_3(dx_hbtp_p_keyed_hash); }

/* >>rules that no other test isolates ---------------------------------- */
typedef struct small_session {
    dx_hbtp_session s;
    dx_hbtp_out     out;
    dx_hbtp_router  router;
    uint8_t         out_memory[1024];
    _Alignas(8) uint64_t memory[512]; /* 32-bit machines align it to 4 otherwise */
} small_session;

static void start_small(small_session *x)
{
    dx_hbtp_session_desc desc;
    memset(&desc, 0, sizeof desc);
    DX_CHECK_EQ(dx_hbtp_router_init(&x->router), 0);
    DX_CHECK_EQ(dx_hbtp_out_init(&x->out, x->out_memory, sizeof x->out_memory), 0);
    desc.out = &x->out;
    desc.router = &x->router;
    desc.in_place = true;
    desc.outstanding_max = desc.pending_max = 4;
    desc.memory = x->memory;
    desc.memory_size = sizeof x->memory;
    DX_CHECK_EQ(dx_hbtp_session_init(&x->s, &desc), 0);
}

/* A subscriber without room is named again once there is more room than when its last state failed, and not
   sooner. */
DX_TEST(hb_a_subscriber_without_room_is_named_again_once_there_is_more)
{
    static small_session x;
    static uint64_t entries[64];
    static const uint8_t payload[1024];
    dx_hbtp_hub hub;
    dx_hbtp_hub_desc desc;
    uint32_t state = 0;
    const size_t first = 8 + 4 + 20;
    memset(&desc, 0, sizeof desc);
    desc.memory = entries;
    desc.memory_size = sizeof entries;
    start_small(&x);
    DX_CHECK_EQ(dx_hbtp_hub_init(&hub, &desc), 0);
    DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &x.s, 1, true), 0);
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 1, DX_HBTP_OP_STATE_SYNC, payload, 20), 1);
    DX_CHECK(!dx_hbtp_hub_behind(&hub, &state));
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 1, DX_HBTP_OP_STATE_SYNC, payload, 1000), 0);
    for (uint64_t now = 1; now < 4; now++) { /* as much room as before */
        DX_CHECK(!dx_hbtp_hub_behind(&hub, &state));
        DX_CHECK_EQ(dx_hbtp_tick(&x.s, now), UINT64_MAX);
    }
    DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &x.s, 2, true), 0);
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 2, DX_HBTP_OP_STATE_SYNC, payload, 20), 1); /* less */
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 2, DX_HBTP_OP_STATE_SYNC, payload, 1000), 0);
    DX_CHECK_EQ(dx_hbtp_tick(&x.s, 5), UINT64_MAX);
    DX_CHECK(!dx_hbtp_hub_behind(&hub, &state));
    DX_CHECK_EQ(dx_hbtp_out_consume(&x.out, first), 0); /* enough for the first, more than for the second */
    DX_CHECK_EQ(dx_hbtp_tick(&x.s, 6), UINT64_MAX);
    DX_CHECK(dx_hbtp_hub_behind(&hub, &state));
    DX_CHECK_EQ(dx_hbtp_catch_up(&hub, state, payload, 20), 1);
    DX_CHECK(dx_hbtp_hub_behind(&hub, &state));
    DX_CHECK_EQ(dx_hbtp_catch_up(&hub, state, payload, 20), 1);
    DX_CHECK(!dx_hbtp_hub_behind(&hub, &state));
}

static int close_and_return(const dx_hbtp_context *c)
{
    DX_CHECK_EQ(dx_hbtp_close(c->session, 0, NULL), 0);
    return *(const int *)c->user;
}

/* A handler that closes its session ends the feed in the same way, whatever it returns. */
DX_TEST(hb_a_handler_that_closes_may_return_anything)
{
    static const int results[] = {0, 404, DX_HBTP_EAGAIN, DX_HBTP_ENOSPACE, DX_HBTP_LATER, DX_HBTP_EINVAL};
    static uint8_t in_memory[256];
    static small_session x;
    for (int checksum = 0; checksum < 2; checksum++) {
        size_t first_used = 0;
        for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
            dx_hbtp_out in;
            size_t size, out_size;
            int result = results[i];
            start_small(&x);
            DX_CHECK_EQ(dx_hbtp_router_set(&x.router, 0x81, close_and_return, &result), 0);
            DX_CHECK_EQ(dx_hbtp_out_init(&in, in_memory, sizeof in_memory), 0);
            dx_hbtp_out_set_checksum(&in, checksum);
            DX_CHECK_EQ(dx_hbtp_write_frame(&in, 0x81, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, "x", 1), 0);
            DX_CHECK_EQ(dx_hbtp_write_frame(&in, 0x81, DX_HBTP_FLAG_EXPECTS_RESPONSE, 2, "y", 1), 0);
            const uint8_t *const bytes = dx_hbtp_out_data(&in, &size);
            const int64_t used = dx_hbtp_feed(&x.s, bytes, size, 1);
            (void)dx_hbtp_out_data(&x.out, &out_size);
            if (!i) first_used = (size_t)used;
            DX_CHECK_EQ(used, first_used);
            DX_CHECK_EQ(x.s.state, DX_HBTP_CLOSED);
            DX_CHECK_EQ(x.s.error, 0);
            DX_CHECK_EQ(x.s.counters.frames, 1);
            DX_CHECK_EQ(out_size, 8); /* the Close, and nothing about the frame after it */
            DX_CHECK_EQ(x.out_memory[0], DX_HBTP_OP_CLOSE);
        }
    }
}
