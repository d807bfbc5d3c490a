/* Tests of streams and subscriptions in dx_hbtp.h: two or more sessions connected by lines. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { STREAMS = 8, LIMIT = 20000 };

typedef struct side { /* a session and its stream events */
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    uint8_t         out_memory[40000];
    uint64_t       *memory;
    uint8_t         line[60000];
    size_t          line_size;
    uint32_t        opened, chunks, finished, ended, unasked, closed, last_stream, last_credit;
    int             last_error, reply;
    uint16_t        last_status;
    uint8_t         last_method, data[256];
    size_t          data_size;
} side;

static side sides[6];

static int ask_state(side *x, uint16_t opcode, uint32_t state)
{
    uint8_t number[4] = {(uint8_t)state, 0, 0, 0};
    return dx_hbtp_request(&x->s, opcode, 0, number, 4, UINT64_MAX, NULL, NULL);
}

static int log_event(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    side *x = (side *)s->desc.user;
    x->last_stream = e->stream;
    x->last_credit = e->credit;
    x->data_size = e->size < sizeof x->data ? e->size : sizeof x->data;
    if (x->data_size) memcpy(x->data, e->data, x->data_size);
    switch (e->kind) {
    case DX_HBTP_STREAM_OPENED:
        x->opened++;
        x->last_method = e->method;
        e->user = x;
        return x->reply;
    case DX_HBTP_STREAM_CHUNK: x->chunks++; return x->reply;
    case DX_HBTP_STREAM_FINISHED:
        x->finished++;
        x->last_status = e->status;
        return x->reply;
    default: break;
    }
    DX_CHECK_EQ(e->kind, DX_HBTP_STREAM_ENDED);
    DX_CHECK(e->credit == 0 && e->method == 0);
    x->ended++;
    x->last_error = e->error;
    x->last_status = e->status;
    return x->reply;
}

static void log_session(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    side *x = (side *)s->desc.user;
    (void)frame;
    x->unasked += event == DX_HBTP_EVENT_UNASKED;
    x->closed += event == DX_HBTP_EVENT_CLOSED;
}

static side *start(int which, uint32_t streams_max, uint32_t payload_max, size_t out_size,
                   dx_hbtp_stream_fn *fn)
{
    side *x = &sides[which];
    dx_hbtp_session_desc d;
    free(x->memory);
    memset(x, 0, sizeof *x);
    memset(&d, 0, sizeof d);
    dx_hbtp_out_init(&x->out, x->out_memory, out_size);
    dx_hbtp_router_init(&x->router);
    d.streams_max = streams_max;
    d.on_stream = fn;
    d.payload_max = payload_max;
    d.on_event = log_session;
    d.user = x;
    d.out = &x->out;
    d.router = &x->router;
    d.memory_size = dx_hbtp_session_memory_size(&d);
    d.memory = x->memory = (uint64_t *)malloc(d.memory_size);
    DX_CHECK_EQ(dx_hbtp_session_init(&x->s, &d), 0);
    return x;
}

static int start_hub(dx_hbtp_hub *hub, void *memory, size_t size, uint32_t most)
{
    dx_hbtp_hub_desc d;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = size;
    d.per_session_max = most;
    d.seed = 0x1234567890abcdefu;
    return dx_hbtp_hub_init(hub, &d);
}

/* Move a side's output to its line at once, as to a socket; the other side gets at most `most` bytes of it. */
static size_t carry_some(side *from, side *to, size_t most)
{
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&from->out, &size);
    uint8_t *copy;
    int64_t used;
    DX_CHECK(size <= sizeof from->line - from->line_size);
    memcpy(from->line + from->line_size, p, size);
    from->line_size += size;
    dx_hbtp_out_consume(&from->out, size);
    size = from->line_size < most ? from->line_size : most;
    copy = (uint8_t *)malloc(size + 1);
    memcpy(copy, from->line, size);
    used = dx_hbtp_feed(&to->s, size ? copy : NULL, size, 1);
    free(copy);
    if (used <= 0) return 0;
    memmove(from->line, from->line + used, from->line_size -= (size_t)used);
    return (size_t)used;
}

static void carry_all(side *a, side *b)
{
    for (int idle = 0; idle < 3; idle++)
        if (carry_some(a, b, SIZE_MAX) + carry_some(b, a, SIZE_MAX)) idle = 0;
}

static void frame_to(side *x, unsigned opcode, unsigned flags, unsigned sequence, const void *p,
                     size_t size)
{
    uint8_t bytes[600];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, bytes, sizeof bytes);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)opcode, (uint8_t)flags, (uint16_t)sequence, p, size), 0);
    const uint8_t *all = dx_hbtp_out_data(&out, &size);
    (void)dx_hbtp_feed(&x->s, all, size, 1);
}

static void check_said(side *x, unsigned opcode, unsigned flags, unsigned sequence, unsigned status)
{
    dx_hbtp_frame f;
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&x->out, &size);
    DX_CHECK_EQ(dx_hbtp_parse(p, size, LIMIT, &f), (int64_t)size);
    DX_CHECK_EQ(f.opcode, opcode);
    DX_CHECK_EQ(f.flags, flags);
    DX_CHECK_EQ(f.sequence, sequence);
    DX_CHECK_EQ(f.payload[0] | f.payload[1] << 8, status);
    dx_hbtp_out_reset(&x->out);
}

/* >>streams ------------------------------------------------------------ */
DX_TEST(hb_13_vectors_of_the_document)
{
    static const char *const names[] = {"stream-start", "stream-grant", "stream-chunk", "stream-finish",
                                        "stream-failed", "subscribe", "unsubscribe", "state-delta",
                                        "stream-cancel"};
    side *a = start(0, STREAMS, LIMIT, 4096, log_event), *b = start(1, STREAMS, LIMIT, 4096, log_event);
    static uint64_t hub_memory[6];
    dx_hbtp_hub hub;
    uint32_t stream = 0;
    for (int i = 0; i < 9; i++) {
        uint8_t want[64];
        size_t n = dx_test_vector("docs/formats/hbtp.md", names[i], want, sizeof want), size;
        side *from = i == 1 || i == 4 || i >= 7 ? b : a;
        switch (i) {
        case 0: DX_CHECK_EQ(dx_hbtp_open(&a->s, 2, "log", 3, 4096, NULL, &stream), 0); break;
        case 1: DX_CHECK_EQ(dx_hbtp_grant(&b->s, 1, 65536), 0); break;
        case 2: DX_CHECK_EQ(dx_hbtp_send(&a->s, stream, "hello", 5), 5); break;
        case 3: DX_CHECK_EQ(dx_hbtp_finish(&a->s, stream, 0, NULL), 0); break;
        case 4: DX_CHECK_EQ(dx_hbtp_finish(&b->s, 1, 503, "full"), 0); break;
        case 5: DX_CHECK_EQ(ask_state(a, 0x12, 42), 0); break;
        case 6: DX_CHECK_EQ(ask_state(a, 0x13, 42), 0); break;
        case 7:
            DX_CHECK_EQ(start_hub(&hub, hub_memory, sizeof hub_memory, 0), 0);
            DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &b->s, 42, true), 0);
            DX_CHECK_EQ(dx_hbtp_publish(&hub, 42, 0x10, "", 0), 1);
            dx_hbtp_out_reset(&b->out);
            DX_CHECK_EQ(dx_hbtp_publish(&hub, 42, 0x11, "+1", 2), 1);
            break;
        default:
            DX_CHECK_EQ(a->ended, 1); /* with a final status from b, and an end from a */
            DX_CHECK_EQ(b->ended, 1);
            DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
            DX_CHECK_EQ(a->last_status, 503);
            DX_CHECK_EQ(b->last_error, 0);
            a->s.sequence_ = 0;
            DX_CHECK_EQ(dx_hbtp_open(&a->s, 2, "log", 3, 4096, NULL, &stream), 0);
            carry_some(a, b, SIZE_MAX);
            DX_CHECK_EQ(dx_hbtp_reset(&b->s, 1, 503, "full"), 0);
        }
        const uint8_t *p = dx_hbtp_out_data(&from->out, &size);
        DX_CHECK_EQ(size, n);
        DX_CHECK_MEM(p, want, n);
        if (i < 5 || i == 8) DX_CHECK_EQ(carry_some(from, from == a ? b : a, SIZE_MAX), n);
        else dx_hbtp_out_reset(&from->out);
    }
    DX_CHECK_EQ(b->opened, 2);
    DX_CHECK_EQ(a->ended, 2);
    DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
    DX_CHECK_EQ(a->last_status, 503);
    DX_CHECK_MEM(a->data, "full", 4);
}

DX_TEST(hb_13_open_grant_send_finish)
{
    side *a = start(0, STREAMS, LIMIT, 4096, log_event), *b = start(1, STREAMS, LIMIT, 4096, log_event);
    uint32_t st = 0;
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, "args", 4, 10, NULL, &st), 0);
    DX_CHECK_EQ(dx_hbtp_send(&a->s, st, "x", 1), 0); /* no credit yet */
    carry_all(a, b);
    DX_CHECK_EQ(b->opened, 1);
    DX_CHECK_EQ(b->last_method, 7);
    DX_CHECK_EQ(b->last_credit, 10);
    DX_CHECK_EQ(b->data_size, 4);
    DX_CHECK_MEM(b->data, "args", 4);
    const uint32_t there = b->last_stream;
    DX_CHECK_EQ(dx_hbtp_send(&b->s, there, "0123456789ABC", 13), 10);
    DX_CHECK_EQ(dx_hbtp_send(&b->s, there, "ABC", 3), 0);
    DX_CHECK_EQ(dx_hbtp_grant(&b->s, there, 3), 0);
    carry_all(a, b);
    DX_CHECK_EQ(a->last_credit, 3);
    DX_CHECK_EQ(a->chunks, 2);
    DX_CHECK_EQ(dx_hbtp_send(&a->s, st, "wxyz", 4), 3);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 8), 0); /* the peer has no credit left: sent at once */
    carry_all(a, b);
    DX_CHECK_EQ(b->last_credit, 8);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 4), 0); /* less than half of ten, and of what it has: waits */
    DX_CHECK_EQ(dx_hbtp_finish(&a->s, st, 0, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_send(&a->s, st, "q", 1), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_finish(&a->s, st, 0, NULL), DX_HBTP_EINVAL);
    carry_all(a, b);
    DX_CHECK_EQ(b->finished, 1);
    DX_CHECK_EQ(b->ended, 0);
    DX_CHECK_EQ(b->last_credit, 8);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 1), 0); /* half: sent, although a has finished */
    carry_all(a, b);
    DX_CHECK_EQ(b->last_credit, 13);
    DX_CHECK_EQ(dx_hbtp_send(&b->s, there, "ABC", 3), 3);
    DX_CHECK_EQ(dx_hbtp_finish(&b->s, there, 0, NULL), 0);
    DX_CHECK_EQ(b->ended, 1);
    DX_CHECK_EQ(b->last_error, 0);
    carry_all(a, b);
    DX_CHECK_EQ(a->finished, 1);
    DX_CHECK_EQ(a->ended, 1);
    DX_CHECK_EQ(a->last_error, 0);
    DX_CHECK_EQ(dx_hbtp_send(&a->s, st, "q", 1), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 1), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_finish(&a->s, st, 0, NULL), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_reset(&a->s, st, 500, NULL), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(a->s.stream_count_ + b->s.stream_count_, 0);
}

DX_TEST(hb_13_arguments_and_limits)
{
    side *a = start(0, 2, 1000, 4096, log_event);
    dx_hbtp_session_desc d;
    uint32_t st = 0, two = 0;
    DX_CHECK_EQ(dx_hbtp_open(NULL, 0, NULL, 0, 0, NULL, &st), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0, NULL, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_credit_max(NULL), 0);
    DX_CHECK_EQ(dx_hbtp_credit_max(&a->s), 0x7fffffff);
    a->s.desc.require_checksum = true; /* chunks are not split: one must fit all of the credit */
    DX_CHECK_EQ(dx_hbtp_credit_max(&a->s), 996);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 997, NULL, &st), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 996, NULL, &st), 0);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 1), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0, NULL, &two), 0);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0, NULL, &two), DX_HBTP_EAGAIN);
    DX_CHECK_EQ(dx_hbtp_reset(&a->s, st, 399, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_reset(&a->s, st, 600, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_reset(&a->s, st, 400, NULL), 0);
    DX_CHECK_EQ(a->last_error, DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0, NULL, &st), 0);
    dx_hbtp_abort(&a->s);
    DX_CHECK_EQ(a->ended, 3);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0, NULL, &st), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_send(NULL, st, "", 0), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_grant(NULL, st, 0), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_finish(NULL, st, 0, NULL), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_reset(NULL, st, 400, NULL), DX_HBTP_ENOTFOUND);
    a = start(0, 1, 0, 4096, log_event); /* the usual payload limit: credit up to 2^31 - 1 */
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0x80000000u, NULL, &st), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 0, NULL, 0, 0x7fffffffu, NULL, &st), 0);
    DX_CHECK_EQ(dx_hbtp_grant(&a->s, st, 1), DX_HBTP_ETOOBIG);
    memset(&d, 0, sizeof d);
    d.streams_max = 257;
    DX_CHECK_EQ(dx_hbtp_session_memory_size(&d), 0);
    d.streams_max = 256;
    d.memory_size = dx_hbtp_session_memory_size(&d);
    d.memory = malloc(d.memory_size);
    d.out = &a->out;
    DX_CHECK_EQ(dx_hbtp_session_init(&sides[1].s, &d), DX_HBTP_EINVAL); /* no on_stream */
    free(d.memory);
}

DX_TEST(hb_13_a_peer_without_streams_refuses_with_404_and_the_stream_ends)
{
    side *a = start(0, STREAMS, LIMIT, 4096, log_event), *b = start(1, 0, LIMIT, 4096, NULL);
    uint32_t st;
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
    carry_all(a, b);
    DX_CHECK_EQ(a->ended, 1);
    DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
    DX_CHECK_EQ(a->last_status, 404);
    DX_CHECK_EQ(a->unasked, 0); /* no more than that */
    a = start(0, STREAMS, LIMIT, 4096, log_event);
    b = start(1, 1, LIMIT, 4096, log_event);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
    carry_all(a, b);
    DX_CHECK_EQ(b->opened, 1);
    DX_CHECK_EQ(a->last_status, 429); /* the second one exceeds the limit */
    DX_CHECK_EQ(a->ended, 1);
}

DX_TEST(error_table_streams_bad_frames_cancel_the_stream_and_nothing_else)
{
    static const uint8_t start9[9] = {1, 0, 0, 0, 5, 0, 0, 0, 'a'};
    uint8_t bad[9];
    side *b = start(1, STREAMS, LIMIT, 4096, log_event);
    for (size_t n = 0; n < 8; n++) { /* too short */
        frame_to(b, 0x33, 4, 1, start9, n);
        check_said(b, 0x32, 0, 1, 400);
    }
    for (int i = 1; i < 4; i++) { /* reserved bytes */
        memcpy(bad, start9, 9);
        bad[i] = 1;
        frame_to(b, 0x33, 4, 1, bad, 9);
        check_said(b, 0x32, 0, 1, 400);
    }
    frame_to(b, 0x33, 0, 1, start9, 9); /* not allowed for the opening side */
    check_said(b, 0x32, 0, 1, 400);
    frame_to(b, 0x33, 4, 0, start9, 9); /* sequence 0 is never used */
    check_said(b, 0x32, 0, 0, 400);
    DX_CHECK_EQ(b->opened, 0);
    frame_to(b, 0x34, 4, 1, "\1\0\0\0", 4); /* chunk and end without a start */
    frame_to(b, 0x35, 4, 1, NULL, 0);
    frame_to(b, 0x34, 0, 1, "\1\0\0\0", 4);
    DX_CHECK_EQ(b->unasked, 3);
    for (int what = 0; what < 14; what++) {
        size_t size;
        frame_to(b, 0x33, 4, 9, start9, 9);
        DX_CHECK_EQ(b->ended, (uint32_t)what);
        dx_hbtp_grant(&b->s, b->last_stream, 4);
        dx_hbtp_out_reset(&b->out);
        switch (what) {
        case 0: frame_to(b, 0x33, 4, 9, start9, 9); break;          /* two starts */
        case 1: frame_to(b, 0x34, 4, 9, "\0\0\0\0", 4); break;      /* neither credit nor data */
        case 2: frame_to(b, 0x34, 4, 9, "\1\0\0", 3); break;        /* too short */
        case 3: frame_to(b, 0x34, 4, 9, "\0\0\0\0hello", 9); break; /* above the credit */
        case 4: frame_to(b, 0x34, 4, 9, "\xff\xff\xff\xff", 4); break; /* credit above 2^32 - 1 */
        case 5: frame_to(b, 0x35, 12, 9, "\1\2\3", 3); break;       /* too short */
        case 6: /* finished twice */
            frame_to(b, 0x35, 12, 9, NULL, 0);
            frame_to(b, 0x35, 12, 9, NULL, 0);
            break;
        case 7: frame_to(b, 0x35, 4, 9, NULL, 0); break;               /* cancelled without a reason */
        case 8: frame_to(b, 0x35, 4, 9, "\xf7\1\1\0", 4); break;       /* reserved bytes */
        case 9: frame_to(b, 0x35, 12, 9, "\xf7\1\0\1", 4); break;
        case 10: frame_to(b, 0x35, 12, 9, "\0\0\0\0", 4); break;      /* no such status */
        case 11: frame_to(b, 0x35, 4, 9, "\x8f\1\0\0", 4); break;
        case 12: frame_to(b, 0x35, 4, 9, "\x58\2\0\0", 4); break;
        default: /* data behind the end; credit is still welcome */
            frame_to(b, 0x35, 12, 9, NULL, 0);
            frame_to(b, 0x34, 4, 9, "\1\0\0\0", 4);
            dx_hbtp_out_data(&b->out, &size);
            DX_CHECK_EQ(size, 0);
            frame_to(b, 0x34, 4, 9, "\0\0\0\0h", 5);
        }
        check_said(b, 0x35, 0, 9, what == 3 ? 413 : 400);
        DX_CHECK_EQ(b->last_error, DX_HBTP_ECANCELED);
    }
    DX_CHECK_EQ(b->s.state, DX_HBTP_WANTS_INPUT);
    DX_CHECK_EQ(b->s.stream_count_, 0);
}

DX_TEST(hb_13_the_program_refuses_at_any_event)
{
    static const int results[] = {404, 401, 599, DX_HBTP_ETOOBIG, 1, DX_HBTP_ENOSPACE};
    static const unsigned sent[] = {404, 401, 599, 413, 500, 500};
    for (int i = 0; i < 6; i++) {
        for (int when = 0; when < 3; when++) {
            side *b = start(1, STREAMS, LIMIT, DX_HBTP_OUT_MIN, log_event);
            b->reply = when == 0 ? results[i] : 0;
            frame_to(b, 0x33, 4, 3, "\1\0\0\0\0\0\0\0", 8);
            if (when) {
                dx_hbtp_grant(&b->s, b->last_stream, 9);
                dx_hbtp_out_reset(&b->out);
                b->reply = results[i];
                if (when == 1) frame_to(b, 0x34, 4, 3, "\0\0\0\0x", 5);
                else frame_to(b, 0x35, 12, 3, NULL, 0);
            }
            check_said(b, 0x35, 0, 3, sent[i]);
            DX_CHECK_EQ(b->ended, 1);
        }
    }
}

static int fill_up(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    while (!dx_hbtp_write_frame(s->desc.out, 0x41, 0, 0, "0123456789", 10)) { }
    while (!dx_hbtp_write_frame(s->desc.out, 0x41, 0, 0, NULL, 0)) { }
    return e->kind == DX_HBTP_STREAM_ENDED ? 0 : 500;
}

DX_TEST(hb_13_a_cancel_is_told_when_there_is_room)
{
    for (int checksum = 0; checksum < 2; checksum++) {
        for (size_t size = DX_HBTP_OUT_MIN; size < 600; size++) {
            side *b = start(1, STREAMS, LIMIT, size, fill_up);
            bool reset = false;
            size_t n;
            dx_hbtp_out_set_checksum(&b->out, checksum != 0);
            frame_to(b, 0x33, 4, 3, "\1\0\0\0\0\0\0\0", 8);
            DX_CHECK_EQ(b->s.stream_count_, 1); /* over, but the peer could not be told */
            frame_to(b, 0x34, 4, 3, "\1\0\0\0", 4);
            DX_CHECK_EQ(b->s.counters.events[DX_HBTP_EVENT_UNASKED], 1);
            dx_hbtp_out_reset(&b->out);
            DX_CHECK_EQ(dx_hbtp_feed(&b->s, NULL, 0, 1), 0);
            DX_CHECK_EQ(b->s.stream_count_, 0);
            const uint8_t *p = dx_hbtp_out_data(&b->out, &n);
            for (dx_hbtp_frame f; n;) {
                int64_t used = dx_hbtp_parse(p, n, LIMIT, &f);
                DX_CHECK(used > 0);
                if (f.opcode == 0x35) reset = true;
                p += used;
                n -= (size_t)used;
            }
            DX_CHECK(reset);
        }
    }
}

DX_TEST(hb_13_a_flood_of_opens_and_cancels_closes_the_connection)
{
    for (int who = 0; who < 2; who++) { /* the peer cancels; or makes us cancel */
        side *b = start(1, STREAMS, LIMIT, 4096, log_event);
        unsigned i = 0;
        while (!b->closed && i < 5000) {
            i++;
            frame_to(b, 0x33, 4, i, "\1\0\0\0\0\0\0\0", 8);
            if (who) frame_to(b, 0x34, 4, i, NULL, 0);
            else frame_to(b, 0x35, 4, i, "\xf7\1\0\0", 4);
            if (!b->closed) dx_hbtp_out_reset(&b->out);
        }
        DX_CHECK_EQ(i, 1001);
        DX_CHECK_EQ(b->s.error, DX_HBTP_EFLOOD);
        DX_CHECK_EQ(b->ended, i);
    }
    side *b = start(1, STREAMS, LIMIT, 4096, log_event); /* a cancel in time is always allowed */
    uint8_t bytes[64];
    dx_hbtp_out out;
    for (unsigned i = 1; i < 5000; i++) {
        size_t n;
        dx_hbtp_out_init(&out, bytes, sizeof bytes);
        dx_hbtp_write_frame(&out, 0x33, 4, (uint16_t)i, "\1\0\0\0\0\0\0\0", 8);
        dx_hbtp_write_frame(&out, 0x35, 4, (uint16_t)i, "\xf7\1\0\0", 4);
        const uint8_t *p = dx_hbtp_out_data(&out, &n);
        DX_CHECK_EQ(dx_hbtp_feed(&b->s, p, n, i * 31000000ull), (int64_t)n);
    }
    DX_CHECK_EQ(b->closed, 0);
    DX_CHECK_EQ(b->ended, 4999);
}

DX_TEST(hb_10_hb_13_numbers_wrap_around_streams_that_are_open)
{
    side *a = start(0, 3, LIMIT, 4096, log_event);
    uint32_t kept = 0, other = 0;
    uint16_t sequence = 0;
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 1, NULL, 0, 0, NULL, &kept), 0);
    DX_CHECK_EQ(kept & 0xffff, 1);
    for (unsigned i = 2; i < 65600; i++) {
        dx_hbtp_out_reset(&a->out);
        if (i & 1) {
            DX_CHECK_EQ(dx_hbtp_open(&a->s, 1, NULL, 0, 0, NULL, &other), 0);
            DX_CHECK_EQ(dx_hbtp_reset(&a->s, other, 500, NULL), 0);
            sequence = (uint16_t)other;
        } else {
            DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, NULL, 0, UINT64_MAX, NULL, &sequence), 0);
            DX_CHECK_EQ(dx_hbtp_cancel(&a->s, sequence), 0);
            const uint8_t answer[8] = {0x31, 0, (uint8_t)sequence, (uint8_t)(sequence >> 8)}; /* now the number is free */
            DX_CHECK_EQ(dx_hbtp_feed(&a->s, answer, sizeof answer, 1), 8);
        }
        DX_CHECK_EQ(sequence, i < 65536 ? i : i - 65534); /* neither 0 nor 1 */
    }
}

/* Two sides over a line with random splits and small buffers; random opens, grants, sends, finishes and resets on both.
   Every stream ends once on each side, and its received data is a prefix of the data sent, and all of it if both have
   finished. */
enum { TRACKS = 64 };
static struct track {
    uint32_t at[2];                  /* the handle on each side */
    bool     known[2], sent_end[2], got_end[2];
    int      ended[2], error[2];
    uint64_t sent[2], got[2], granted[2];
} tracks[TRACKS];
static size_t track_count;

static uint8_t byte_of(size_t track, int from, uint64_t i) { return (uint8_t)(track * 7 + (size_t)from * 3 + i * 13); }

static struct track *track_of(int x, uint32_t handle)
{
    for (size_t i = track_count; i-- > 0;)
        if (tracks[i].known[x] && tracks[i].at[x] == handle && !tracks[i].ended[x]) return &tracks[i];
    return NULL;
}

static int check_event(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    const int x = s->desc.user == &sides[1];
    struct track *t;
    if (e->kind == DX_HBTP_STREAM_OPENED) {
        DX_CHECK_EQ(e->size, 1);
        t = &tracks[e->data[0]];
        t->at[x] = e->stream;
        t->known[x] = true;
        DX_CHECK(e->credit <= t->granted[!x]);
        e->user = t;
        return e->data[0] % 11 == 5 ? 404 : 0;
    }
    t = track_of(x, e->stream);
    DX_CHECK(t != NULL);
    if (e->user) DX_CHECK(e->user == t);
    if (e->kind == DX_HBTP_STREAM_CHUNK) {
        for (size_t i = 0; i < e->size; i++)
            DX_CHECK_EQ(e->data[i], byte_of((size_t)(t - tracks), !x, t->got[x] + i));
        t->got[x] += e->size;
        DX_CHECK(t->got[x] <= t->granted[x]);
        DX_CHECK(!e->size || !t->got_end[x]);
    } else if (e->kind == DX_HBTP_STREAM_FINISHED) {
        DX_CHECK(!t->got_end[x]);
        DX_CHECK_EQ(t->got[x], t->sent[!x]);
        t->got_end[x] = true;
    } else {
        t->ended[x]++;
        t->error[x] = e->error;
    }
    return 0;
}

DX_PROPERTY(hb_13_streams_end_once_and_lose_nothing_at_any_split, 150)
{
    const uint32_t most = (uint32_t)dx_choose_range(c, 1, 6);
    side *ends[2];
    memset(tracks, 0, sizeof tracks);
    track_count = 0;
    for (int i = 0; i < 2; i++)
        ends[i] = start(i, most, (uint32_t)dx_choose_range(c, 40, 300), (size_t)dx_choose_range(c, DX_HBTP_OUT_MIN, 600), check_event);
    ends[0]->s.sequence_ = 65520;
    for (uint64_t steps = dx_choose(c, 800); steps; steps--) {
        const int x = (int)dx_choose(c, 1);
        struct track *t = track_count ? &tracks[dx_choose(c, track_count - 1)] : NULL;
        const bool live = t && t->known[x] && !t->ended[x];
        switch (dx_choose(c, 7)) {
        case 0:
            if (track_count < TRACKS) {
                uint8_t name = (uint8_t)track_count;
                uint32_t credit = (uint32_t)dx_choose(c, 30);
                t = &tracks[track_count];
                t->granted[x] = credit;
                if (!dx_hbtp_open(&ends[x]->s, 1, &name, 1, credit, t, &t->at[x])) {
                    t->known[x] = true;
                    track_count++;
                }
            }
            break;
        case 1: case 2:
            if (live && !t->sent_end[x]) {
                uint8_t data[64];
                size_t n = (size_t)dx_choose(c, 64);
                for (size_t i = 0; i < n; i++) data[i] = byte_of((size_t)(t - tracks), x, t->sent[x] + i);
                int64_t taken = dx_hbtp_send(&ends[x]->s, t->at[x], data, n);
                DX_CHECK(taken >= 0);
                t->sent[x] += (uint64_t)taken;
            }
            break;
        case 3:
            if (live) {
                uint32_t n = (uint32_t)dx_choose(c, 20);
                if (!dx_hbtp_grant(&ends[x]->s, t->at[x], n)) t->granted[x] += n;
            }
            break;
        case 4:
            if (live && dx_choose(c, 3) == 1 && !t->sent_end[x]) {
                t->sent_end[x] = true; /* it may end within the call */
                if (dx_hbtp_finish(&ends[x]->s, t->at[x], 0, NULL)) t->sent_end[x] = false;
            }
            break;
        case 5:
            if (live && dx_choose(c, 9) == 1) (void)dx_hbtp_reset(&ends[x]->s, t->at[x], 500, "so");
            break;
        default: carry_some(ends[x], ends[!x], (size_t)dx_choose(c, 60));
        }
    }
    carry_all(ends[0], ends[1]);
    for (size_t i = 0; i < track_count; i++) {
        struct track *t = &tracks[i];
        if (t->ended[0] && t->ended[1] && !t->error[0] && !t->error[1]) {
            DX_CHECK_EQ(t->got[0], t->sent[1]);
            DX_CHECK_EQ(t->got[1], t->sent[0]);
            DX_CHECK(t->got_end[0] && t->got_end[1]);
        }
        if (t->known[0] && t->known[1]) DX_CHECK_EQ(t->ended[0], t->ended[1]);
    }
    for (int i = 0; i < 2; i++) DX_CHECK(ends[i]->s.stream_count_ <= most && !ends[i]->closed);
    for (int i = 0; i < 2; i++) dx_hbtp_abort(&ends[i]->s);
    for (size_t i = 0; i < track_count; i++)
        for (int x = 0; x < 2; x++) DX_CHECK_EQ(tracks[i].ended[x], tracks[i].known[x]);
}

DX_PROPERTY(hb_13_any_stream_frames_leave_a_session_in_order, 400)
{
    side *b = start(1, 4, 64, 2000, log_event);
    uint32_t st;
    dx_hbtp_open(&b->s, 1, NULL, 0, 20, NULL, &st);
    for (uint64_t n = dx_choose(c, 60); n && !b->closed; n--) {
        uint8_t payload[16];
        size_t size = (size_t)dx_choose(c, sizeof payload);
        dx_choose_bytes(c, payload, size);
        if (dx_choose(c, 1) && size > 3) memset(payload + 1, 0, 3);
        frame_to(b, 0x33 + (unsigned)dx_choose(c, 2), dx_choose(c, 1) ? 4 : 0, (unsigned)dx_choose(c, 6), payload, size);
        if (dx_choose(c, 3) == 1) dx_hbtp_grant(&b->s, b->last_stream, 30);
        dx_hbtp_out_reset(&b->out);
    }
    DX_CHECK(b->s.stream_count_ <= 4);
    dx_hbtp_abort(&b->s);
    DX_CHECK_EQ(b->ended, b->opened + 1);
    DX_CHECK_EQ(b->s.stream_count_, 0);
}

/* >>subscriptions ------------------------------------------------------ */
static int admit_even(void *user, dx_hbtp_session *s, uint32_t state)
{
    (void)s;
    ++*(int *)user;
    return state & 1 ? DX_HBTP_STATUS_NOT_FOUND : 0;
}

DX_TEST(hb_14_subscribe_and_unsubscribe_over_the_wire)
{
    static uint64_t memory[3 * 6];
    side *a = start(0, 0, LIMIT, 4096, NULL), *b = start(1, 0, LIMIT, 4096, NULL);
    dx_hbtp_hub_desc d;
    dx_hbtp_hub hub;
    int asked = 0;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = 3 * sizeof(struct dx_hbtp_p_entry);
    d.per_session_max = 2;
    d.admit = admit_even;
    d.user = &asked;
    DX_CHECK_EQ(dx_hbtp_hub_init(&hub, &d), 0);
    dx_hbtp_router_set(&b->router, 0x12, dx_hbtp_hub_handler, &hub);
    dx_hbtp_router_set(&b->router, 0x13, dx_hbtp_hub_handler, &hub);
    static const struct { unsigned opcode; uint32_t state; unsigned status; } steps[] = {
        {0x12, 2, 0}, {0x12, 2, 0}, {0x12, 3, 404}, {0x12, 4, 0}, {0x12, 6, 429}, {0x13, 6, 404},
        {0x13, 2, 0}, {0x13, 2, 404}, {0x12, 6, 0}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        dx_hbtp_frame f;
        size_t size;
        DX_CHECK_EQ(ask_state(a, (uint16_t)steps[i].opcode, steps[i].state), 0);
        carry_some(a, b, SIZE_MAX);
        const uint8_t *p = dx_hbtp_out_data(&b->out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(p, size, LIMIT, &f), (int64_t)size);
        DX_CHECK_EQ(f.opcode, steps[i].status ? 0x32 : 0x31);
        if (steps[i].status) DX_CHECK_EQ(f.payload[0] | f.payload[1] << 8, steps[i].status);
        carry_all(a, b);
    }
    DX_CHECK_EQ(asked, 6);
    for (size_t n = 0; n < 6; n++) { /* payloads of wrong sizes */
        frame_to(b, 0x12, 4, 9, "\2\0\0\0\0\0", n);
        if (n != 4) check_said(b, 0x32, 0, 9, 400);
        else dx_hbtp_out_reset(&b->out);
    }
    frame_to(b, 0x13, 0, 0, "\2\0\0\0", 4); /* no answer requested */
    side *other = start(2, 0, LIMIT, 4096, NULL);
    dx_hbtp_hub second;
    DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &other->s, 8, true), 0);
    DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &other->s, 10, true), DX_HBTP_ETOOBIG); /* the hub is full */
    static uint64_t other_memory[6];
    DX_CHECK_EQ(start_hub(&second, other_memory, 0, 0), 0);
    DX_CHECK_EQ(dx_hbtp_publish(&second, 8, 0x10, NULL, 0), 0); /* a hub without entries is empty */
    DX_CHECK_EQ(start_hub(&second, other_memory, sizeof other_memory, 0), 0);
    DX_CHECK_EQ(dx_hbtp_subscribe(&second, &other->s, 8, true), DX_HBTP_EINVAL); /* in another hub */
    dx_hbtp_abort(&b->s);
    dx_hbtp_abort(&other->s);
    DX_CHECK_EQ(hub.count_, 0);
    uint32_t state;
    DX_CHECK(!dx_hbtp_hub_behind(&hub, &state));
    DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &b->s, 2, true), DX_HBTP_EINVAL); /* closed */
    DX_CHECK_EQ(dx_hbtp_hub_init(NULL, &d), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_hub_init(&hub, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(start_hub(&hub, NULL, 8, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(start_hub(&hub, (uint8_t *)memory + 1, 8, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(start_hub(&hub, memory, sizeof memory, 0), 0);
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 2, 0x40, NULL, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 2, 0x10, NULL, 1), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_publish(&hub, 2, 0x10, NULL, 0), 0);
}

/* Five subscribers with small buffers, read now and then; states are counters. After a subscriber has read everything it
   is up to date, or the hub knows that it is not. */
static struct { bool has; uint64_t value; } seen[5][4];

static int learn(const dx_hbtp_context *c)
{
    const size_t who = (size_t)((side *)c->session->desc.user - sides);
    uint32_t state = c->payload[0];
    DX_CHECK_EQ(c->payload_size, 12);
    if (c->frame->opcode == 0x10) memcpy(&seen[who][state].value, c->payload + 4, 8);
    else {
        DX_CHECK(seen[who][state].has);
        seen[who][state].value++;
        DX_CHECK_MEM(&seen[who][state].value, c->payload + 4, 8);
    }
    seen[who][state].has = true;
    return 0;
}

DX_PROPERTY(hb_14_nobody_applies_a_delta_to_a_wrong_base, 200)
{
    static uint64_t memory[6 * 20];
    static side line[5]; /* the server's end of each connection */
    dx_hbtp_hub hub;
    uint64_t truth[4] = {0};
    bool wants[5][4] = {{false}};
    memset(seen, 0, sizeof seen);
    DX_CHECK_EQ(start_hub(&hub, memory, sizeof memory, 0), 0);
    for (int i = 0; i < 5; i++) {
        side *x = start(5, 0, LIMIT, (size_t)dx_choose_range(c, DX_HBTP_OUT_MIN, 400), NULL);
        free(line[i].memory);
        line[i] = *x; /* a session that only writes: its memory is unused */
        x->memory = NULL;
        line[i].s.desc.out = &line[i].out;
        line[i].out.memory_ = line[i].out_memory;
        side *client = start(i, 0, LIMIT, 256, NULL);
        dx_hbtp_router_set(&client->router, 0x10, learn, NULL);
        dx_hbtp_router_set(&client->router, 0x11, learn, NULL);
    }
    for (uint64_t steps = dx_choose(c, 300); steps; steps--) {
        const size_t who = (size_t)dx_choose(c, 4);
        const uint32_t state = (uint32_t)dx_choose(c, 3);
        uint32_t late;
        switch (dx_choose(c, 5)) {
        case 0:
            DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &line[who].s, state, true), 0);
            wants[who][state] = true;
            break;
        case 1:
            if (dx_choose(c, 2) != 1) break;
            DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &line[who].s, state, false), wants[who][state] ? 0 : DX_HBTP_ENOTFOUND);
            wants[who][state] = false;
            break;
        case 2:
            if (!dx_hbtp_hub_behind(&hub, &late)) break;
            dx_hbtp_catch_up(&hub, late, &truth[late], 8);
            break;
        case 3:
            truth[state]++;
            dx_hbtp_publish(&hub, state, dx_choose(c, 4) == 1 ? 0x10 : 0x11, &truth[state], 8);
            break;
        default:
            carry_some(&line[who], &sides[who], (size_t)dx_choose(c, 80));
            (void)dx_hbtp_feed(&line[who].s, NULL, 0, 1); /* output was sent */
        }
    }
    uint32_t count = 0;
    for (size_t i = 0; i < 5; i++) {
        while (carry_some(&line[i], &sides[i], SIZE_MAX)) { }
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t at = dx_hbtp_p_find_entry(&hub, &line[i].s, k);
            DX_CHECK_EQ(at != DX_HBTP_P_NONE, wants[i][k]);
            if (at == DX_HBTP_P_NONE) continue;
            count++;
            if (hub.entries_[at].place == DX_HBTP_P_CURRENT) DX_CHECK_EQ(seen[i][k].value, truth[k]);
        }
    }
    DX_CHECK_EQ(hub.count_, count);
    uint32_t state;
    for (int rounds = 0; rounds < 8; rounds++) {
        for (size_t i = 0; i < 5; i++) {
            while (carry_some(&line[i], &sides[i], SIZE_MAX)) { }
            (void)dx_hbtp_feed(&line[i].s, NULL, 0, 1);
        }
        for (int named = 0; dx_hbtp_hub_behind(&hub, &state); named++) {
            DX_CHECK(named < 20); /* the loop ends, whether or not subscribers read */
            dx_hbtp_catch_up(&hub, state, &truth[state], 8);
        }
    }
    for (size_t i = 0; i < 5; i++) {
        for (uint32_t k = 0; k < 4; k++) if (wants[i][k]) DX_CHECK_EQ(seen[i][k].value, truth[k]);
        dx_hbtp_abort(&line[i].s);
    }
    DX_CHECK_EQ(hub.count_, 0);
}

/* >>fairness ------------------------------------------------------------ */
/* Some subscribers read and some do not; each one that reads has every state after a few rounds, however far others lag,
   and the catch-up loop ends each time. */
DX_PROPERTY(hb_14_one_who_does_not_read_keeps_nobody_waiting, 200)
{
    static uint64_t memory[6 * 40];
    static const uint8_t whole[60] = {0};
    dx_hbtp_hub hub;
    bool awake[5];
    uint32_t states[8], heard[5][8];
    memset(heard, 0, sizeof heard);
    DX_CHECK_EQ(start_hub(&hub, memory, sizeof memory, 0), 0);
    for (uint32_t k = 0; k < 8; k++) states[k] = k + 100 * (uint32_t)dx_choose(c, 3);
    for (int i = 0; i < 5; i++) {
        side *x = start(i, 0, LIMIT, DX_HBTP_OUT_MIN, NULL);
        awake[i] = i == 0 || dx_choose(c, 1);
        for (uint32_t k = 0; k < 8; k++) DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &x->s, states[k], true), 0);
    }
    for (int round = 0; round < 8; round++) { /* one state fits at a time */
        uint32_t state, named = 0;
        while (dx_hbtp_hub_behind(&hub, &state)) {
            DX_CHECK(named++ < 40);
            dx_hbtp_catch_up(&hub, state, whole, sizeof whole);
        }
        for (int i = 0; i < 5; i++) {
            size_t size;
            const uint8_t *p = dx_hbtp_out_data(&sides[i].out, &size);
            dx_hbtp_frame f;
            if (!awake[i]) continue;
            for (; size && dx_hbtp_parse(p, size, LIMIT, &f) > 0; p += f.frame_size, size -= (size_t)f.frame_size)
                for (uint32_t k = 0; k < 8; k++) heard[i][k] += f.payload[0] == (states[k] & 255) && f.payload[1] == states[k] >> 8;
            dx_hbtp_out_reset(&sides[i].out);
            DX_CHECK_EQ(dx_hbtp_feed(&sides[i].s, NULL, 0, 1), 0);
        }
    }
    for (int i = 0; i < 5; i++) {
        for (uint32_t k = 0; k < 8 && awake[i]; k++) DX_CHECK(heard[i][k] > 0);
        dx_hbtp_abort(&sides[i].s);
    }
    DX_CHECK_EQ(hub.count_, 0);
    DX_CHECK_EQ(hub.ready_, DX_HBTP_P_NONE);
}

/* Random joins and leaves against a plain table: the hub's rings and chains name the same subscribers. */
DX_PROPERTY(hb_14_a_hub_knows_who_has_subscribed_to_what, 200)
{
    static uint64_t memory[6 * 12]; /* more than 12 entries where pointers have 32 bits */
    dx_hbtp_hub hub;
    bool wants[5][6] = {{false}};
    size_t count = 0;
    DX_CHECK_EQ(start_hub(&hub, memory, 12 * sizeof(struct dx_hbtp_p_entry), 4), 0);
    for (int i = 0; i < 5; i++) start(i, 0, LIMIT, 2000, NULL);
    for (uint64_t steps = dx_choose(c, 200); steps; steps--) {
        const size_t i = (size_t)dx_choose(c, 4);
        const uint32_t k = (uint32_t)dx_choose(c, 5);
        const bool on = dx_choose(c, 1) != 0;
        size_t mine = 0, reached = 0;
        for (uint32_t m = 0; m < 6; m++) mine += wants[i][m];
        const int want = wants[i][k] == on ? (on ? 0 : DX_HBTP_ENOTFOUND) : on && (count == 12 || mine == 4) ? DX_HBTP_ETOOBIG : 0;
        DX_CHECK_EQ(dx_hbtp_subscribe(&hub, &sides[i].s, k, on), want);
        if (!want && wants[i][k] != on) {
            wants[i][k] = on;
            count += on ? 1 : (size_t)-1;
        }
        DX_CHECK_EQ(hub.count_, count);
        for (size_t m = 0; m < 5; m++) {
            reached += wants[m][k];
            dx_hbtp_out_reset(&sides[m].out);
        }
        DX_CHECK_EQ(dx_hbtp_publish(&hub, k, 0x10, "", 0), (int64_t)reached);
    }
    for (int i = 0; i < 5; i++) dx_hbtp_abort(&sides[i].s);
    DX_CHECK_EQ(hub.count_, 0);
}

/* >>numbers and statuses -------------------------------------------------- */
DX_TEST(hb_10_when_every_number_is_taken_the_next_request_waits)
{
    side *a = &sides[0];
    dx_hbtp_session_desc d;
    uint32_t stream;
    start(0, 1, LIMIT, 4096, log_event);
    d = a->s.desc;
    d.outstanding_max = d.streams_max = 256;
    d.memory_size = dx_hbtp_session_memory_size(&d);
    free(a->memory);
    d.memory = a->memory = (uint64_t *)malloc(d.memory_size);
    DX_CHECK_EQ(dx_hbtp_session_init(&a->s, &d), 0);
    for (int i = 0; i < 255; i++, dx_hbtp_out_reset(&a->out)) /* all slots except those of 256, 512, ... */
        DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, NULL, 0, UINT64_MAX, NULL, NULL), 0);
    for (int i = 0; i < 255; i++, dx_hbtp_out_reset(&a->out)) /* and now these */
        DX_CHECK_EQ(dx_hbtp_open(&a->s, 1, NULL, 0, 0, NULL, &stream), 0);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 1, NULL, 0, 0, NULL, &stream), DX_HBTP_EAGAIN);
    DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, NULL, 0, UINT64_MAX, NULL, NULL), DX_HBTP_EAGAIN);
    DX_CHECK_EQ(dx_hbtp_reset(&a->s, stream, 500, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, NULL, 0, UINT64_MAX, NULL, NULL), 0);
}

DX_TEST(hb_13_streams_that_end_with_a_status_are_no_flood)
{
    side *a = start(0, STREAMS, LIMIT, 4096, log_event), *b = start(1, STREAMS, LIMIT, 4096, log_event);
    uint32_t st;
    for (uint32_t i = 1; i < 3000; i++) {
        DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
        carry_all(a, b);
        DX_CHECK_EQ(dx_hbtp_finish(&b->s, b->last_stream, 600, NULL), DX_HBTP_EINVAL);
        DX_CHECK_EQ(dx_hbtp_finish(&b->s, b->last_stream, 507, "the disk is full"), 0);
        carry_all(a, b);
        DX_CHECK_EQ(a->finished, i);
        DX_CHECK_EQ(a->last_status, 507);
        DX_CHECK_MEM(a->data, "the disk is full", 16);
        DX_CHECK_EQ(dx_hbtp_finish(&a->s, st, 0, NULL), 0);
        DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
        DX_CHECK_EQ(a->last_status, 507);
        carry_all(a, b);
        DX_CHECK_EQ(b->ended, i);
        DX_CHECK_EQ(b->last_error, 0);
    }
    b->reply = 429; /* nor are those that this program refuses */
    for (uint32_t i = 1; i < 3000; i++) {
        DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
        carry_some(a, b, SIZE_MAX);
        DX_CHECK_EQ(b->closed, 0);
        dx_hbtp_out_reset(&b->out);
        DX_CHECK_EQ(dx_hbtp_reset(&a->s, st, 500, NULL), 0);
        dx_hbtp_out_reset(&a->out);
    }
}

DX_TEST(error_table_streams_a_chunk_that_cannot_be_read_cancels_its_stream)
{
    for (unsigned opcode = 0x34; opcode < 0x36; opcode++) { /* or it would have a gap */
        side *b = start(1, STREAMS, LIMIT, 4096, log_event);
        frame_to(b, 0x33, 4, 9, "\1\0\0\0\5\0\0\0", 8);
        dx_hbtp_out_reset(&b->out);
        frame_to(b, opcode, 5, 9, "packed", 6);
        check_said(b, 0x35, 0, 9, 415);
        DX_CHECK_EQ(b->ended, 1);
        DX_CHECK_EQ(b->s.counters.events[DX_HBTP_EVENT_REFUSED], 1);
    }
    side *a = start(0, STREAMS, LIMIT, 4096, log_event); /* a refusal that cannot be decoded still ends it */
    uint32_t st;
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
    frame_to(a, 0x32, 0, 1, "\x94\1\0\1", 4);
    DX_CHECK_EQ(a->last_error, DX_HBTP_ECORRUPT);
    DX_CHECK_EQ(a->unasked, 0);
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
    dx_hbtp_out_reset(&a->out);
    frame_to(a, 0x34, 1, 2, "packed", 6); /* on its own stream */
    check_said(a, 0x35, 4, 2, 415);
    DX_CHECK_EQ(a->ended, 2);
}

/* >>refusals -------------------------------------------------------------- */
DX_TEST(hb_13_streams_that_the_peer_does_not_want_are_no_flood)
{
    for (int when = 0; when < 3; when++) { /* its program returns 404 for the start, data or the end */
        side *a = start(0, STREAMS, LIMIT, 4096, log_event), *b = start(1, STREAMS, LIMIT, 4096, log_event);
        uint32_t st;
        for (uint32_t i = 1; i < 3000; i++) {
            b->reply = when ? 0 : 404;
            DX_CHECK_EQ(dx_hbtp_open(&a->s, 7, NULL, 0, 10, NULL, &st), 0);
            carry_all(a, b);
            if (when) {
                DX_CHECK_EQ(dx_hbtp_grant(&b->s, b->last_stream, 10), 0);
                carry_all(a, b);
                b->reply = 404;
                if (when == 1) DX_CHECK_EQ(dx_hbtp_send(&a->s, st, "hello", 5), 5);
                else DX_CHECK_EQ(dx_hbtp_finish(&a->s, st, 0, NULL), 0);
                carry_all(a, b);
            }
            DX_CHECK(!a->closed && !b->closed);
            DX_CHECK_EQ(a->ended, i);
            DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
            DX_CHECK_EQ(a->last_status, 404);
        }
    }
}

DX_TEST(error_table_streams_only_an_end_is_final)
{
    side *b = start(1, STREAMS, LIMIT, 4096, log_event);
    uint8_t vector[64];
    const size_t size = dx_test_vector("docs/formats/hbtp.md", "stream-chunk-final", vector, sizeof vector);
    uint32_t st;
    frame_to(b, 0x33, 4, 1, "\1\0\0\0\5\0\0\0", 8);
    DX_CHECK_EQ(dx_hbtp_grant(&b->s, b->last_stream, 10), 0);
    dx_hbtp_out_reset(&b->out);
    DX_CHECK_EQ(dx_hbtp_feed(&b->s, vector, size, 1), (int64_t)size);
    check_said(b, 0x35, 0, 1, 400);
    b->opened = 0;
    frame_to(b, 0x33, 12, 9, "\1\0\0\0\5\0\0\0", 8);
    check_said(b, 0x32, 0, 9, 400);
    DX_CHECK_EQ(b->opened, 0);
    for (int what = 0; what < 2; what++) { /* credit; data, which its sender takes for the end */
        frame_to(b, 0x33, 4, 9, "\1\0\0\0\5\0\0\0", 8);
        DX_CHECK_EQ(dx_hbtp_grant(&b->s, b->last_stream, 10), 0);
        dx_hbtp_out_reset(&b->out);
        frame_to(b, 0x34, 12, 9, what ? "\0\0\0\0hello" : "\1\0\0\0", what ? 9 : 4);
        check_said(b, 0x35, 0, 9, 400);
        DX_CHECK_EQ(b->chunks, 0);
        DX_CHECK_EQ(dx_hbtp_open(&b->s, 1, NULL, 0, 10, NULL, &st), 0);
        dx_hbtp_out_reset(&b->out);
        frame_to(b, 0x34, 8, st & 0xffff, what ? "\0\0\0\0hello" : "\1\0\0\0", what ? 9 : 4);
        check_said(b, 0x35, 4, st & 0xffff, 400);
        DX_CHECK_EQ(b->chunks, 0);
    }
}

static int      result_error;
static uint16_t result_status;
static void log_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    (void)s;
    result_error = r->error;
    result_status = r->status;
}

/* Each 16-bit status wherever a peer may send one, with reserved bytes right or wrong. */
DX_TEST(error_table_streams_each_status_of_a_peer)
{
    side *b = start(1, STREAMS, LIMIT, 4096, log_event);
    uint8_t vector[64];
    const size_t size = dx_test_vector("docs/formats/hbtp.md", "rpc-error-without-status", vector, sizeof vector);
    b->s.desc.on_result = log_result;
    b->s.sequence_ = 6;
    DX_CHECK_EQ(dx_hbtp_call(&b->s, 1, NULL, 0, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_feed(&b->s, vector, size, 1), (int64_t)size);
    DX_CHECK_EQ(result_error, DX_HBTP_ECORRUPT);
    DX_CHECK_EQ(b->s.waiting, 0);
    for (uint32_t i = 0; i < 65536 + 512; i++) {
        const bool sound = i < 65536, fine = sound && (i & 0xffff) >= 400 && (i & 0xffff) <= 599;
        const uint8_t payload[4] = {(uint8_t)i, (uint8_t)(i >> 8), 0, sound ? 0 : 1};
        const int want = fine ? DX_HBTP_EREMOTE : DX_HBTP_ECORRUPT;
        uint16_t sequence;
        uint32_t st;
        DX_CHECK_EQ(dx_hbtp_call(&b->s, 1, NULL, 0, UINT64_MAX, NULL, &sequence), 0);
        frame_to(b, 0x32, 0, sequence, payload, 4);
        DX_CHECK_EQ(result_error, want);
        DX_CHECK_EQ(result_status, fine ? i : 0);
        DX_CHECK_EQ(dx_hbtp_open(&b->s, 1, NULL, 0, 10, NULL, &st), 0);
        frame_to(b, 0x32, 0, st & 0xffff, payload, 4);
        DX_CHECK_EQ(b->last_error, want);
        DX_CHECK_EQ(b->last_status, fine ? i : 0);
        for (unsigned flags = 0; flags < 9 && i % 7 == 0; flags += 8) { /* cancelled; finished */
            DX_CHECK_EQ(dx_hbtp_open(&b->s, 1, NULL, 0, 10, NULL, &st), 0);
            dx_hbtp_out_reset(&b->out);
            frame_to(b, 0x35, flags, st & 0xffff, payload, 4);
            DX_CHECK_EQ(b->last_status, fine ? i : 400);
            if (!fine) check_said(b, 0x35, 4, st & 0xffff, 400);
            else if (flags) DX_CHECK_EQ(dx_hbtp_reset(&b->s, st, 500, NULL), 0);
            b->s.flood_ns_ = 0;
        }
        dx_hbtp_out_reset(&b->out);
        DX_CHECK_EQ(dx_hbtp_write_rpc_error(&b->out, 1, (uint16_t)i, ""), (i & 0xffff) >= 400 && (i & 0xffff) <= 599 ? 0 : DX_HBTP_EINVAL);
        dx_hbtp_out_reset(&b->out);
    }
    DX_CHECK(!b->closed && !b->s.stream_count_ && !b->s.waiting);
}

/* >>small ----------------------------------------------------------------- */
/* A line with a delay, in virtual time: side 0 sends as much as it may; side 1, whose payloads are 256 bytes at most,
   reads at once. Returns bytes per second. */
enum { MESSAGES = 4096 };
static struct message { uint64_t at_ns; size_t size; } messages[2][MESSAGES];

static int read_at_once(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    side *x = (side *)s->desc.user;
    x->last_stream = e->stream;
    if (e->kind == DX_HBTP_STREAM_CHUNK) x->last_credit += (uint32_t)e->size; /* bytes so far */
    if (e->kind == DX_HBTP_STREAM_CHUNK && x == &sides[1]) DX_CHECK_EQ(dx_hbtp_grant(s, e->stream, (uint32_t)e->size), 0);
    return 0;
}

static void deliver(int from, uint64_t now, uint64_t delay, size_t *begin, size_t *end)
{
    side *x = &sides[from], *to = &sides[!from];
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&x->out, &size);
    if (size) {
        DX_CHECK(size <= sizeof x->line - x->line_size && *end - *begin < MESSAGES);
        memcpy(x->line + x->line_size, p, size);
        x->line_size += size;
        dx_hbtp_out_consume(&x->out, size);
        messages[from][*end % MESSAGES].at_ns = now + delay;
        messages[from][(*end)++ % MESSAGES].size = size;
    }
    while (*begin < *end && messages[from][*begin % MESSAGES].at_ns <= now) {
        size = messages[from][(*begin)++ % MESSAGES].size;
        DX_CHECK_EQ(dx_hbtp_feed(&to->s, x->line, size, now), (int64_t)size);
        memmove(x->line, x->line + size, x->line_size -= size);
    }
}

static uint64_t rate_over_a_line(uint32_t window, uint64_t round_trip_ns)
{
    static const uint8_t data[16384];
    const uint64_t step = 1000000, end = 4000000000u;
    side *a = start(0, 1, LIMIT, 40000, read_at_once), *b = start(1, 1, 256, 4096, read_at_once);
    size_t from[2] = {0, 0}, to[2] = {0, 0};
    uint32_t st;
    DX_CHECK_EQ(dx_hbtp_open(&a->s, 1, NULL, 0, 0, NULL, &st), 0);
    for (uint64_t now = 1; now < end; now += step) {
        while (dx_hbtp_send(&a->s, st, data, sizeof data) > 0) { }
        deliver(0, now, round_trip_ns / 2, &from[0], &to[0]);
        if (window && b->s.stream_count_) {
            while (dx_hbtp_grant(&b->s, b->last_stream, window)) window /= 2; /* as much as it allows */
            window = 0;
        }
        deliver(1, now, round_trip_ns / 2, &from[1], &to[1]);
    }
    DX_CHECK(!a->closed && !b->closed);
    return (uint64_t)b->last_credit * 1000000000u / end;
}

DX_TEST(hb_13_a_small_session_of_version_1_takes_what_its_window_holds)
{
    const uint64_t rate = rate_over_a_line(32768, 50000000);
    printf("payload_max 256, window 32,768 bytes, round trip of 50 ms: %llu bytes a second\n", (unsigned long long)rate);
    DX_CHECK(rate > 400000); /* at most 655,360: one window per round trip */
    DX_CHECK(rate < 660000);
}

/* The same input for two small sessions, each in random pieces, and one that takes whole chunks: their streams get the
   same data. Chunks exceed the small ones' payload limit, with and without checksums; some are invalid. */
typedef struct heard {
    uint8_t  data[6000];
    size_t   size, stop;             /* the program cancels after this many bytes */
    uint32_t opened, finished, ended, pieces[700], piece_count;
    int      error;
    uint16_t status;
} heard;
static heard ears[3];

static int hear(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    heard *h = &ears[(side *)s->desc.user - sides];
    h->opened += e->kind == DX_HBTP_STREAM_OPENED;
    h->finished += e->kind == DX_HBTP_STREAM_FINISHED;
    if (e->kind == DX_HBTP_STREAM_OPENED) return dx_hbtp_grant(s, e->stream, 3000);
    if (e->kind == DX_HBTP_STREAM_ENDED) {
        h->ended++;
        h->error = e->error;
        h->status = e->status;
    }
    if (e->kind != DX_HBTP_STREAM_CHUNK) return 0;
    for (size_t i = 0; i < e->size && h->size < h->stop; i++) h->data[h->size++] = e->data[i];
    DX_CHECK(h->piece_count < 700);
    h->pieces[h->piece_count++] = (uint32_t)e->size;
    return h->size == h->stop ? 507 : 0;
}

static size_t draw_frames(dx_choices *c, uint8_t *bytes, size_t capacity)
{
    dx_hbtp_out out;
    size_t size;
    dx_hbtp_out_init(&out, bytes, capacity);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x33, 4, 5, "\1\0\0\0\0\0\0\0", 8), 0);
    for (uint64_t n = dx_choose_range(c, 1, 8); n; n--) {
        uint8_t payload[1600] = {0};
        const uint64_t what = dx_choose(c, 30);
        const size_t before = out.used_;
        size_t chunk = 4 + (size_t)dx_choose_range(c, 1, dx_choose(c, 1) ? 1500 : 300);
        for (size_t i = 4; i < chunk; i++) payload[i] = (uint8_t)(i * 7 + n);
        payload[0] = (uint8_t)dx_choose(c, 2);
        dx_hbtp_out_set_checksum(&out, dx_choose(c, 2) == 1);
        if (what == 2) chunk = 3;
        DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x34, (uint8_t)(what == 1 ? 12 : what == 3 ? 5 : 4), (uint16_t)(what == 4 ? 6 : 5), payload, chunk), 0);
        if (what == 5) bytes[before + 8 + (size_t)dx_choose(c, out.used_ - before - 9)] ^= 16;
        dx_hbtp_out_set_checksum(&out, dx_choose(c, 2) == 1);
        if (dx_choose(c, 3) == 1) DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0, 4, 8, "ping", 4), 0);
    }
    if (dx_choose(c, 1)) DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x35, 12, 5, NULL, 0), 0);
    (void)dx_hbtp_out_data(&out, &size);
    return size;
}

static void feed_split(dx_choices *c, side *x, const uint8_t *bytes, size_t size)
{
    size_t begin = 0, end = 0;
    while (begin < size && x->s.state != DX_HBTP_CLOSED) {
        const size_t more = (size_t)dx_choose_range(c, 1, dx_choose(c, 1) ? 40 : 700);
        size_t held;
        int64_t used;
        end = size - end < more ? size : end + more;
        held = end - begin;
        if (x->s.desc.in_place) /* its own buffer holds one frame */
            held = held > x->s.desc.payload_max + 12u ? x->s.desc.payload_max + 12u : held;
        uint8_t *exact = (uint8_t *)malloc(held);
        memcpy(exact, bytes + begin, held);
        used = dx_hbtp_feed(&x->s, exact, held, 1);
        free(exact);
        if (used < 0) break;
        DX_CHECK(x->s.need <= x->s.desc.payload_max + 12u);
        DX_CHECK(used > 0 || held < size - begin || end == size);
        begin += (size_t)used;
        if (!used && end == size && held == size - begin) break; /* a frame that ends too early */
        dx_hbtp_out_reset(&x->out);
    }
}

DX_PROPERTY(hb_13_a_long_chunk_in_pieces_is_the_same_data, 400)
{
    static uint8_t bytes[20000];
    const size_t size = draw_frames(c, bytes, sizeof bytes);
    const size_t stop = dx_choose(c, 3) == 1 ? (size_t)dx_choose_range(c, 1, 3000) : 5999;
    const uint32_t payload_max = (uint32_t)dx_choose_range(c, 9, dx_choose(c, 1) ? 40 : 400);
    const bool in_place = dx_choose(c, 1) != 0;
    memset(ears, 0, sizeof ears);
    for (int i = 0; i < 3; i++) {
        side *x = start(i, STREAMS, i ? payload_max : LIMIT, 4096, hear);
        ears[i].stop = stop;
        if (i && in_place) {
            x->s.desc.in_place = true;
            x->s.buffer_ = NULL;
        }
        if (i) feed_split(c, x, bytes, size);
        else (void)dx_hbtp_feed(&x->s, bytes, size, 1);
    }
    const heard *const whole = &ears[0];
    for (int i = 1; i < 3; i++) {
        const heard *const h = &ears[i];
        DX_CHECK_EQ(sides[i].s.error, sides[0].s.error);
        DX_CHECK_EQ(sides[i].s.state == DX_HBTP_CLOSED, sides[0].s.state == DX_HBTP_CLOSED);
        DX_CHECK(h->opened == whole->opened && h->finished == whole->finished && h->ended == whole->ended);
        DX_CHECK(h->size >= whole->size && sides[i].unasked >= sides[0].unasked);
        if (sides[0].s.error != DX_HBTP_ECORRUPT) /* a checksum follows data already delivered */
            DX_CHECK(h->size == whole->size && sides[i].unasked == sides[0].unasked && h->error == whole->error && h->status == whole->status);
        DX_CHECK_MEM(h->data, whole->data, whole->size);
    }
    DX_CHECK_EQ(ears[1].piece_count, ears[2].piece_count); /* how the input was split makes no difference */
    DX_CHECK_MEM(ears[1].pieces, ears[2].pieces, ears[1].piece_count * 4);
}

DX_TEST(hb_15_a_long_chunk_that_does_not_become_whole_in_time_closes)
{
    static const uint8_t chunk[8 + 4 + 600] = {0x34, 4, 9, 0, 0x20, 3, 0, 0};
    for (size_t n = 8; n < sizeof chunk; n++) { /* of 800 bytes, in pieces of 100 and 96 */
        side *b = start(1, STREAMS, 100, 4096, log_event);
        frame_to(b, 0x33, 4, 9, "\1\0\0\0\5\0\0\0", 8);
        DX_CHECK_EQ(dx_hbtp_grant(&b->s, b->last_stream, 1000), 0);
        DX_CHECK_EQ(dx_hbtp_feed(&b->s, chunk, n, 1000), (int64_t)n);
        DX_CHECK_EQ(b->chunks, n < 108 ? 0 : 1 + (n - 108) / 96);
        DX_CHECK_EQ(dx_hbtp_tick(&b->s, 1000), 60000001000u);
        DX_CHECK_EQ(dx_hbtp_tick(&b->s, 60000000999u), 60000001000u);
        DX_CHECK_EQ(b->closed, 0);
        DX_CHECK_EQ(dx_hbtp_tick(&b->s, 60000001000u), UINT64_MAX);
        DX_CHECK_EQ(b->s.error, DX_HBTP_ETIMEDOUT);
    }
}
