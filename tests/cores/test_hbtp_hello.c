/* Version 2 of HBTP: what two sides negotiate with a Hello, and what they may do after it. Sessions of all
   versions talk both ways; Hellos are truncated, modified and composed at random. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define DOC "docs/formats/hbtp.md"
#define MS  UINT64_C(1000000)
enum { OUT = 2048 };

typedef struct end {
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    dx_hbtp_hello   hello;
    uint8_t         out_memory[OUT];
    _Alignas(8) uint64_t memory[1024];
    uint32_t        events[16];
    uint32_t        results, cancels, handled;
    uint16_t        cancelled, status;
    int             error;
    uint16_t        later;
    bool            puts_off;
    unsigned        again;     /* this many calls return EAGAIN */
    bool            closes;    /* when the peer drains */
    uint64_t        deadline_ns;
    uint64_t        stream_bytes;
    uint32_t        stream;
    bool            opened;
    int             stream_error;
    int             verdict;   /* of admit */
    const char     *why;       /* its text */
    uint8_t         token[16];
    uint16_t        token_size;
} end;

static end ends[2]; /* side 0 opened the connection */
static uint64_t now;

static end *end_of(const dx_hbtp_session *s) { return (end *)s->desc.user; }

static int on_call(const dx_hbtp_context *c)
{
    end *e = end_of(c->session);
    e->handled++;
    e->deadline_ns = c->deadline_ns;
    e->later = c->frame->sequence;
    if (e->again) return e->again--, (int)DX_HBTP_EAGAIN;
    if (e->puts_off) return DX_HBTP_LATER;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    end *e = end_of(s);
    e->results++;
    e->error = r->error;
    e->status = r->status;
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    (void)frame;
    end_of(s)->events[event]++;
    if (event == DX_HBTP_EVENT_DRAIN && end_of(s)->closes) DX_CHECK_EQ(dx_hbtp_close(s, 0, NULL), 0);
}

static void on_cancel(dx_hbtp_session *s, uint16_t sequence)
{
    end_of(s)->cancels++;
    end_of(s)->cancelled = sequence;
}

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *event)
{
    end *e = end_of(s);
    if (event->kind == DX_HBTP_STREAM_OPENED) {
        e->stream = event->stream;
        e->opened = true;
    }
    if (event->kind == DX_HBTP_STREAM_CHUNK) e->stream_bytes += event->size;
    if (event->kind == DX_HBTP_STREAM_ENDED) e->stream_error = event->error;
    return 0;
}

static int admit(void *user, dx_hbtp_session *s, const dx_hbtp_offer *offer)
{
    end *e = (end *)user;
    DX_CHECK(end_of(s) == e);
    e->token_size = offer->who.token.size;
    if (e->token_size && e->token_size <= sizeof e->token) memcpy(e->token, offer->who.token.bytes, e->token_size);
    if (e->why) *offer->why = e->why;
    return e->verdict;
}

static void end_desc(end *e, dx_hbtp_session_desc *d)
{
    memset(d, 0, sizeof *d);
    d->memory = e->memory;
    d->memory_size = sizeof e->memory;
    d->out = &e->out;
    d->router = &e->router;
    d->on_result = on_result;
    d->on_event = on_event;
    d->on_cancel = on_cancel;
    d->on_stream = on_stream;
    d->streams_max = 4;
    d->payload_max = 1000;
    d->outstanding_max = 16;
    d->user = e;
}

/* greets: it supports version 2. */
static void end_open(end *e, bool greets, const dx_hbtp_session_desc *d)
{
    dx_hbtp_session_desc usual;
    end_desc(e, &usual);
    DX_CHECK_EQ(dx_hbtp_out_init(&e->out, e->out_memory, sizeof e->out_memory), 0);
    DX_CHECK_EQ(dx_hbtp_router_init(&e->router), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&e->router, 1, on_call, e), 0);
    if (greets) DX_CHECK_EQ(dx_hbtp_router_set(&e->router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &e->hello), 0);
    DX_CHECK_EQ(dx_hbtp_session_init(&e->s, d ? d : &usual), 0);
}

static void both_open(bool first_greets, bool second_greets)
{
    memset(ends, 0, sizeof ends);
    now = 1000 * MS;
    end_open(&ends[0], first_greets, NULL);
    end_open(&ends[1], second_greets, NULL);
}

/* Move what one side has written to the other. */
static bool pass(int from)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&ends[from].out, &size);
    if (!size) return false;
    (void)dx_hbtp_feed(&ends[!from].s, bytes, size, now);
    DX_CHECK_EQ(dx_hbtp_out_consume(&ends[from].out, size), 0);
    return true;
}

static void settle(void)
{
    bool moved = true;
    while (moved) {
        moved = pass(0);
        moved |= pass(1);
    }
}

static void greet(void)
{
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
    settle();
}

static void call_works(int from)
{
    const uint32_t before = ends[from].results;
    DX_CHECK_EQ(dx_hbtp_call(&ends[from].s, 1, "hi", 2, UINT64_MAX, NULL, NULL), 0);
    settle();
    DX_CHECK(ends[from].results == before + 1 && ends[from].error == 0);
}

/* Feed a payload of fields to side 1, as a peer's Hello. Returns the status of its answer; 0: accepted. */
static int hello_of(const uint8_t *payload, size_t size)
{
    uint8_t frame[600] = {DX_HBTP_OP_HELLO, DX_HBTP_FLAG_EXPECTS_RESPONSE, 9, 0, (uint8_t)size, (uint8_t)(size >> 8)};
    const uint8_t *back;
    size_t back_size;
    DX_CHECK(size <= sizeof frame - 8);
    memcpy(frame + 8, payload, size);
    (void)dx_hbtp_feed(&ends[1].s, frame, 8 + size, now);
    back = dx_hbtp_out_data(&ends[1].out, &back_size);
    DX_CHECK(back_size >= 8 && back[2] == 9);
    if (back[0] == DX_HBTP_OP_RPC_RESPONSE) {
        DX_CHECK(ends[1].s.state != DX_HBTP_CLOSED);
        return 0;
    }
    DX_CHECK_EQ(back[0], DX_HBTP_OP_RPC_ERROR);
    DX_CHECK_EQ(ends[1].s.state, DX_HBTP_CLOSED); /* and it said so */
    DX_CHECK_EQ(ends[1].s.error, DX_HBTP_EVERSION);
    DX_CHECK_EQ(ends[1].events[DX_HBTP_EVENT_CLOSED], 1);
    return back[8] | back[9] << 8;
}

/* >>format ------------------------------------------------------------- */
DX_TEST(hb_20_hello_is_written_and_read_as_in_the_document)
{
    uint8_t want[256];
    const size_t n = dx_test_vector(DOC, "hello", want, sizeof want);
    dx_hbtp_session_desc d;
    const uint8_t *bytes;
    size_t size;
    memset(ends, 0, sizeof ends);
    end_desc(&ends[0], &d);
    d.streams_max = 8;
    d.in_place = true;
    d.payload_max = 65536;
    d.pending_max = 64;
    ends[0].hello.credit = 4096;
    end_open(&ends[0], true, &d);
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
    bytes = dx_hbtp_out_data(&ends[0].out, &size);
    DX_CHECK(n > 8 && size == n && !memcmp(bytes, want, n));
    end_open(&ends[1], true, NULL);
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, want, n, 1), (int64_t)n);
    DX_CHECK(ends[1].s.peer.version == 2 && ends[1].s.peer.features == 15 && ends[1].s.peer.payload_max == 65536);
    DX_CHECK(ends[1].s.peer.requests_max == 64 && ends[1].s.peer.streams_max == 8 && ends[1].s.peer.credit == 4096);
    DX_CHECK_EQ(ends[1].events[DX_HBTP_EVENT_HELLO], 1);
}

DX_TEST(hb_20_the_other_frames_of_version_2_are_those_of_the_document)
{
    static const char *const names[] = {"call-with-deadline", "cancel", "drain"};
    uint8_t want[64];
    both_open(true, true);
    greet();
    ends[0].s.sequence_ = 6; /* the number in the document is 7 */
    ends[1].puts_off = true;
    for (int i = 0; i < 3; i++) {
        const size_t n = dx_test_vector(DOC, names[i], want, sizeof want);
        const uint8_t *bytes;
        size_t size;
        if (i == 0) DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hello", 5, now + 2500 * MS, NULL, NULL), 0);
        if (i == 1) DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, 7), 0);
        if (i == 2) DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, "restarting"), 0);
        bytes = dx_hbtp_out_data(&ends[0].out, &size);
        DX_CHECK(n >= 8 && size == n && !memcmp(bytes, want, n));
        settle();
    }
    DX_CHECK(ends[1].handled == 1 && ends[1].cancels == 1 && ends[1].s.peer.drains);
}

DX_TEST(hb_20_the_captures_of_the_document_are_what_their_comments_say)
{
    FILE *f = fopen(DOC, "r");
    char line[400];
    uint8_t bytes[200];
    size_t size = 0;
    unsigned frames = 0, captures = 0;
    bool inside = false;
    DX_CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        const char *comment = strchr(line, '#');
        const char *at = line + 1;
        if (!strncmp(line, "```capture", 10)) captures++;
        if (line[0] == '`') inside = !strncmp(line, "```capture", 10);
        if (!inside || line[0] == '`') continue;
        if (line[0] == '>' || line[0] == '<') size = 0;
        while (*at && *at != '#') {
            char *end;
            const unsigned long value = strtoul(at, &end, 16);
            if (end == at || (comment && at > comment)) break;
            DX_CHECK(value < 256 && size < sizeof bytes);
            bytes[size++] = (uint8_t)value;
            at = end;
            while (*at == ' ') at++;
        }
        if (comment) {
            dx_hbtp_frame frame;
            const char *name;
            DX_CHECK_EQ(dx_hbtp_parse(bytes, size, 4096, &frame), (int64_t)size);
            name = dx_hbtp_opcode_name(frame.opcode);
            DX_CHECK(!strncmp(comment + 2, name, strlen(name)));
            frames++;
        }
    }
    fclose(f);
    DX_CHECK(captures == 3 && frames == 39);
}

/* >>versions ----------------------------------------------------------- */
DX_TEST(hb_21_sides_of_every_age_talk_both_ways)
{
    for (int ages = 0; ages < 4; ages++) {
        both_open(ages & 1, ages & 2);
        if (ages & 1) { /* calls sent right after it are of version 1 */
            DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
            DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), DX_HBTP_EINVAL);
            call_works(0);
            DX_CHECK_EQ(ends[0].events[DX_HBTP_EVENT_HELLO], 1);
        }
        call_works(0);
        call_works(1);
        DX_CHECK_EQ(ends[0].s.peer.version, ages == 3 ? 2 : 1);
        DX_CHECK_EQ(ends[1].s.peer.version, ages == 3 ? 2 : 1);
        DX_CHECK_EQ(ends[0].s.peer.features, ages == 3 ? 15 : 0);
        DX_CHECK(ends[0].s.waiting == 0 && ends[1].events[DX_HBTP_EVENT_FAILED] == 0);
        DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, now + 5 * MS, NULL, NULL), 0);
        settle();
        DX_CHECK_EQ(ends[1].deadline_ns, ages == 3 ? now + 5 * MS : UINT64_MAX);
    }
}

DX_TEST(hb_21_a_side_that_needs_version_2_says_so_to_an_old_one)
{
    both_open(true, false);
    ends[0].hello.needs = DX_HBTP_FEATURE_DRAIN;
    greet();
    DX_CHECK(ends[0].s.state == DX_HBTP_CLOSED && ends[0].s.error == DX_HBTP_EVERSION);
    DX_CHECK(ends[1].s.state == DX_HBTP_CLOSED && ends[1].s.error == 0);
    both_open(false, true);
    dx_hbtp_require_hello(&ends[1].s);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, UINT64_MAX, NULL, NULL), 0);
    settle();
    DX_CHECK(ends[0].results == 1 && ends[0].error == DX_HBTP_EREMOTE && ends[0].status == 426);
    DX_CHECK_EQ(ends[1].handled, 0);
    both_open(true, true);
    dx_hbtp_require_hello(&ends[1].s);
    greet();
    call_works(0);
}

DX_TEST(hb_21_what_an_old_side_does_not_know_it_is_not_sent)
{
    uint16_t sequence;
    uint32_t stream;
    both_open(true, false);
    greet();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, now + MS, NULL, &sequence), 0);
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, sequence), 0);
    ends[0].s.desc.require_checksum = true; /* chunks are not split, and one may be too long */
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 1, NULL, 0, 1000, NULL, &stream), DX_HBTP_ETOOBIG);
    ends[0].s.desc.require_checksum = false;
    DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, NULL), 0);
    settle();
    DX_CHECK(ends[1].handled == 1 && ends[1].cancels == 0 && !ends[1].s.peer.drains);
    DX_CHECK_EQ(ends[1].events[DX_HBTP_EVENT_NO_ROUTE], 1); /* the Hello */
    DX_CHECK_EQ(ends[1].events[DX_HBTP_EVENT_UNKNOWN_OPCODE], 0);
}

/* >>refused ------------------------------------------------------------ */
static const struct {
    int         status;
    size_t      size;
    uint8_t     bytes[40];
    const char *why;
} hellos[] = {
    {0, 5, {1, 2, 0, 1, 2}, "least"},
    {0, 5, {1, 2, 0, 1, 1}, "an old one that says Hello"},
    {0, 5, {1, 2, 0, 2, 255}, "a newer one"},
    {0, 6, {1, 3, 0, 1, 2, 7}, "longer than known"},
    {0, 9, {1, 2, 0, 1, 2, 100, 1, 0, 5}, "an unknown field"},
    {0, 12, {1, 2, 0, 1, 2, 3, 4, 0, 255, 255, 255, 255}, "features that we do not know"},
    {0, 10, {1, 2, 0, 1, 2, 5, 2, 0, 9, 1}, "codecs"},
    {400, 0, {0}, "nothing"},
    {400, 3, {6, 0, 0}, "no versions"},
    {400, 4, {1, 1, 0, 2}, "too short"},
    {400, 5, {1, 2, 0, 2, 1}, "upside down"},
    {400, 5, {1, 2, 0, 0, 0}, "none"},
    {400, 6, {1, 2, 0, 1, 2, 7}, "a field that ends too early"},
    {400, 8, {1, 2, 0, 1, 2, 7, 1, 0}, "a field that goes on behind the end"},
    {400, 10, {1, 2, 0, 1, 2, 1, 2, 0, 1, 2}, "twice"},
    {400, 11, {7, 0, 0, 6, 0, 0, 1, 2, 0, 1, 2}, "not ascending"},
    {400, 9, {1, 2, 0, 1, 2, 3, 1, 0, 15}, "features too short"},
    {400, 24, {1, 2, 0, 1, 2, 2, 16, 0, 255}, "takes 255 bytes"},
    {400, 24, {1, 2, 0, 1, 2, 2, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128}, "credit of 2^31"},
    {426, 5, {1, 2, 0, 3, 4}, "only newer ones"},
    {501, 12, {1, 2, 0, 1, 2, 4, 4, 0, 16, 0, 0, 0}, "needs what we do not know"},
    {501, 8, {1, 2, 0, 1, 2, 128, 0, 0}, "a field that must be known"},
};

DX_TEST(hb_22_a_hello_is_accepted_or_refused_by_the_document)
{
    for (size_t i = 0; i < sizeof hellos / sizeof hellos[0]; i++) {
        int got;
        both_open(true, true);
        got = hello_of(hellos[i].bytes, hellos[i].size);
        if (got != hellos[i].status) fprintf(stderr, "%s: %d\n", hellos[i].why, got);
        DX_CHECK_EQ(got, hellos[i].status);
        DX_CHECK_EQ(ends[1].s.peer.version, got || i == 1 ? 1 : 2);
    }
}

DX_TEST(hb_22_a_second_hello_and_one_that_crosses_ours_are_refused)
{
    both_open(true, true);
    DX_CHECK_EQ(hello_of(hellos[0].bytes, hellos[0].size), 0);
    DX_CHECK_EQ(dx_hbtp_out_consume(&ends[1].out, 0), 0);
    dx_hbtp_out_reset(&ends[1].out);
    DX_CHECK_EQ(hello_of(hellos[0].bytes, hellos[0].size), 400);
    both_open(true, true);
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[1].s, &ends[1].hello, UINT64_MAX), 0);
    dx_hbtp_out_reset(&ends[1].out);
    DX_CHECK_EQ(hello_of(hellos[0].bytes, hellos[0].size), 400);
}

DX_TEST(hb_22_the_side_that_asks_refuses_an_answer_by_the_same_rules)
{
    for (size_t i = 0; i < sizeof hellos / sizeof hellos[0]; i++) {
        uint8_t answer[64] = {DX_HBTP_OP_RPC_RESPONSE, 0, 1, 0, (uint8_t)hellos[i].size};
        const uint8_t *bytes;
        size_t size;
        both_open(true, true);
        DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
        dx_hbtp_out_reset(&ends[0].out);
        memcpy(answer + 8, hellos[i].bytes, hellos[i].size);
        (void)dx_hbtp_feed(&ends[0].s, answer, 8 + hellos[i].size, now);
        bytes = dx_hbtp_out_data(&ends[0].out, &size);
        DX_CHECK_EQ(ends[0].s.state == DX_HBTP_CLOSED, hellos[i].status != 0);
        if (!hellos[i].status) DX_CHECK_EQ(size, 0);
        else DX_CHECK(size >= 12 && bytes[0] == DX_HBTP_OP_CLOSE && (bytes[8] | bytes[9] << 8) == hellos[i].status);
        DX_CHECK_EQ(ends[0].results, 0);
    }
}

DX_TEST(hb_22_a_peer_is_let_in_by_its_token)
{
    for (int verdict = 0; verdict < 2; verdict++) {
        both_open(true, true);
        ends[0].hello.who.identity.bytes = "device 7";
        ends[0].hello.who.identity.size = 8;
        ends[0].hello.who.token.bytes = "secret";
        ends[0].hello.who.token.size = 6;
        ends[1].hello.admit = admit;
        ends[1].hello.user = &ends[1];
        ends[1].verdict = verdict ? 401 : 0;
        greet();
        DX_CHECK(ends[1].token_size == 6 && !memcmp(ends[1].token, "secret", 6));
        DX_CHECK_EQ(ends[0].s.error, verdict ? DX_HBTP_EVERSION : 0);
        DX_CHECK_EQ(ends[1].s.state == DX_HBTP_CLOSED, verdict);
        if (!verdict) call_works(0);
    }
}

/* The refusal has the text of admit; without one, or if that has no room, the status's own. */
DX_TEST(hb_22_a_refused_peer_is_told_why)
{
    static char much[sizeof ends[1].out_memory + 1];
    static const struct { const char *why; const char *text; } cases[] = {
        {"the token has expired", "the token has expired"}, {NULL, "unauthorized"}, {"", ""}, {much, "unauthorized"}};
    memset(much, 'x', sizeof much - 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t length = strlen(cases[i].text);
        const uint8_t *bytes;
        size_t size;
        both_open(true, true);
        ends[1].hello.admit = admit;
        ends[1].hello.user = &ends[1];
        ends[1].verdict = 401;
        ends[1].why = cases[i].why;
        DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
        bytes = dx_hbtp_out_data(&ends[0].out, &size);
        (void)dx_hbtp_feed(&ends[1].s, bytes, size, now);
        bytes = dx_hbtp_out_data(&ends[1].out, &size);
        DX_CHECK(size >= 12 + length && bytes[0] == DX_HBTP_OP_RPC_ERROR && (bytes[8] | bytes[9] << 8) == 401);
        DX_CHECK(!memcmp(bytes + 12, cases[i].text, length) && bytes[12 + length] == DX_HBTP_OP_CLOSE);
        DX_CHECK_EQ(ends[1].s.state, DX_HBTP_CLOSED);
    }
}

/* Whatever bytes a peer sends as a Hello: an answer, an agreement to its terms, or a refusal. */
DX_PROPERTY(hb_22_any_bytes_are_no_hello_or_one, 20000)
{
    uint8_t bytes[64];
    const size_t size = (size_t)dx_choose(c, sizeof bytes);
    int status;
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)dx_choose(c, dx_choose(c, 1) ? 255 : 9);
    if (size >= 5 && dx_choose(c, 3)) memcpy(bytes, hellos[0].bytes, 5);
    both_open(true, true);
    status = hello_of(bytes, size);
    DX_CHECK(status == 0 || status == 400 || status == 426 || status == 501);
    if (!status) DX_CHECK(bytes[0] == 1 && bytes[3] <= 2 && ends[1].s.peer.version == (bytes[4] < 2 ? 1 : 2));
    if (!status && ends[1].s.peer.version == 2) { /* and the session stays open */
        dx_hbtp_out_reset(&ends[1].out);
        static const uint8_t ping[] = {0, 4, 5, 0, 0, 0, 0, 0};
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, ping, sizeof ping, now), 8);
    }
}

/* >>negotiated terms --------------------------------------------------- */
DX_TEST(hb_23_limits_that_the_peer_states_hold_here)
{
    static uint8_t bytes[1200];
    dx_hbtp_session_desc d;
    uint32_t stream;
    both_open(true, true);
    end_desc(&ends[1], &d);
    d.payload_max = 300;
    d.pending_max = 2;
    end_open(&ends[1], true, &d);
    ends[1].puts_off = true;
    greet();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, bytes, 300, UINT64_MAX, NULL, NULL), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, bytes, 299, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, bytes, 299, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, bytes, 1, UINT64_MAX, NULL, NULL), DX_HBTP_EAGAIN);
    settle();
    DX_CHECK_EQ(ends[1].handled, 2);
    /* More credit than one payload: chunks are cut to fit. */
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 9, NULL, 0, 0, NULL, &stream), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_grant(&ends[1].s, ends[1].stream, 1200), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_send(&ends[0].s, stream, bytes, 1200), 296);
    DX_CHECK_EQ(dx_hbtp_send(&ends[0].s, stream, bytes, 904), 296);
    settle();
    DX_CHECK_EQ(ends[1].stream_bytes, 592);
}

DX_TEST(hb_23_the_first_credit_lets_a_stream_begin_at_once)
{
    uint32_t stream;
    both_open(true, true);
    ends[1].hello.credit = 500;
    greet();
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 9, NULL, 0, 0, NULL, &stream), 0);
    DX_CHECK_EQ(dx_hbtp_send(&ends[0].s, stream, ends[0].memory, 800), 500);
    DX_CHECK(pass(0));
    DX_CHECK_EQ(ends[1].stream_bytes, 500);
    DX_CHECK_EQ(dx_hbtp_send(&ends[0].s, stream, ends[0].memory, 1), 0);
    DX_CHECK_EQ(dx_hbtp_grant(&ends[1].s, ends[1].stream, 1), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_send(&ends[0].s, stream, ends[0].memory, 2), 1);
    settle();
    DX_CHECK_EQ(ends[1].stream_bytes, 501);
}

DX_TEST(hb_23_a_deadline_travels_and_what_is_too_late_is_not_begun)
{
    both_open(true, true);
    greet();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, now + 7 * MS + 1, NULL, NULL), 0);
    settle();
    DX_CHECK(ends[1].handled == 1 && ends[1].deadline_ns == now + 7 * MS);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, now + 1, NULL, NULL), 0); /* a fraction of a millisecond counts as one */
    settle();
    DX_CHECK(ends[1].handled == 2 && ends[1].deadline_ns == now + MS);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, now, NULL, NULL), 0);
    settle();
    DX_CHECK(ends[1].handled == 2 && ends[0].error == DX_HBTP_EREMOTE && ends[0].status == 408);
    DX_CHECK_EQ(dx_hbtp_request(&ends[0].s, 0x8001, 0, "hi", 2, now + MS, NULL, NULL), 0); /* an extended opcode after it */
    settle();
    DX_CHECK(ends[0].error == DX_HBTP_EREMOTE && ends[0].status == 404);
    call_works(0);
    DX_CHECK_EQ(ends[1].deadline_ns, UINT64_MAX);
}

DX_TEST(hb_23_fields_that_cannot_be_read_are_refused_and_the_session_goes_on)
{
    static const struct {
        int     status;
        size_t  size;
        uint8_t bytes[16];
    } extras[] = {
        {0, 3, {0, 0, 1}},
        {0, 7, {4, 0, 9, 1, 0, 7, 1}},
        {400, 0, {0}},
        {400, 1, {0}},
        {400, 2, {1, 0}},
        {400, 3, {1, 0, 1}},
        {400, 6, {3, 0, 1, 0, 0, 1}},                /* a deadline without a value */
        {400, 9, {6, 0, 9, 0, 0, 9, 0, 0, 1}},       /* a duplicate field */
        {400, 7, {4, 0, 9, 2, 0, 7, 1}},             /* a field that ends beyond the payload */
        {501, 6, {3, 0, 128, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        uint8_t frame[32] = {DX_HBTP_OP_RPC_CALL, 0x24, 5, 0, (uint8_t)extras[i].size};
        const uint8_t *back;
        size_t size;
        both_open(true, true);
        greet();
        memcpy(frame + 8, extras[i].bytes, extras[i].size);
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, frame, 8 + extras[i].size, now), (int64_t)(8 + extras[i].size));
        back = dx_hbtp_out_data(&ends[1].out, &size);
        DX_CHECK(size >= 8 && back[2] == 5);
        if (extras[i].status) DX_CHECK(back[0] == DX_HBTP_OP_RPC_ERROR && (back[8] | back[9] << 8) == extras[i].status);
        else DX_CHECK_EQ(back[0], DX_HBTP_OP_RPC_RESPONSE);
        DX_CHECK_EQ(ends[1].handled, extras[i].status == 0);
        dx_hbtp_out_reset(&ends[1].out);
        call_works(0);
    }
}

DX_TEST(hb_23_an_answer_whose_fields_cannot_be_read_still_ends_its_request)
{
    static const uint8_t answer[] = {DX_HBTP_OP_RPC_RESPONSE, 0x20, 7, 0, 3, 0, 0, 0, 9, 0, 1};
    both_open(true, true);
    greet();
    ends[0].s.sequence_ = 6;
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_feed(&ends[0].s, answer, sizeof answer, now), (int64_t)sizeof answer);
    DX_CHECK(ends[0].results == 1 && ends[0].error == DX_HBTP_ENOTSUP);
}

static int drain_on_call(const dx_hbtp_context *c)
{
    end *e = end_of(c->session);
    e->handled++;
    DX_CHECK_EQ(dx_hbtp_drain(c->session, 503, NULL), 0);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

DX_TEST(hb_25_a_drain_inside_a_handler_holds_for_the_next_frame)
{
    both_open(true, true);
    greet();
    DX_CHECK_EQ(dx_hbtp_router_set_method(&ends[1].router, 2, drain_on_call, NULL), 0);
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 2, NULL, 0, UINT64_MAX, NULL, NULL), 0);
    {
        size_t size;
        const uint8_t *bytes = dx_hbtp_out_data(&ends[0].out, &size);
        const int64_t used = dx_hbtp_feed(&ends[1].s, bytes, size, now);
        DX_CHECK(used > 0 && (size_t)used < size && ends[1].s.state == DX_HBTP_WANTS_TURN);
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, bytes + used, size - (size_t)used, now), (int64_t)size - used);
        DX_CHECK_EQ(dx_hbtp_out_consume(&ends[0].out, size), 0);
    }
    settle();
    DX_CHECK(ends[1].handled == 1 && ends[0].results == 3 && ends[0].status == 503);
}

DX_TEST(hb_24_a_cancel_reaches_the_handler_that_answers_later)
{
    uint16_t sequence;
    both_open(true, true);
    greet();
    ends[1].puts_off = true;
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, UINT64_MAX, NULL, &sequence), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, sequence), 0);
    DX_CHECK(ends[0].results == 1 && ends[0].error == DX_HBTP_ECANCELED);
    settle();
    DX_CHECK(ends[1].cancels == 1 && ends[1].cancelled == sequence);
    DX_CHECK_EQ(dx_hbtp_reply_error(&ends[1].s, sequence, 499, "cancelled"), 0); /* each request gets an answer */
    settle();
    DX_CHECK(ends[0].results == 1 && ends[0].events[DX_HBTP_EVENT_LATE] == 1);
    DX_CHECK(dx_hbtp_is_idle(&ends[0].s) && dx_hbtp_is_idle(&ends[1].s));
}

DX_TEST(hb_25_a_drain_answers_what_came_before_and_refuses_the_rest_unbegun)
{
    uint32_t stream;
    both_open(true, true);
    greet();
    ends[1].puts_off = true;
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "2", 1, UINT64_MAX, NULL, NULL), 0); /* crosses the Drain */
    DX_CHECK_EQ(dx_hbtp_drain(&ends[1].s, 503, "restarting"), 0);
    settle();
    DX_CHECK(ends[0].s.peer.drains && ends[0].events[DX_HBTP_EVENT_DRAIN] == 1);
    DX_CHECK(ends[0].results == 1 && ends[0].error == DX_HBTP_EREMOTE && ends[0].status == 503);
    DX_CHECK(ends[1].handled == 1 && !dx_hbtp_is_idle(&ends[1].s));
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "3", 1, UINT64_MAX, NULL, NULL), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 1, NULL, 0, 0, NULL, &stream), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_reply(&ends[1].s, ends[1].later, "done", 4), 0);
    settle();
    DX_CHECK(ends[0].results == 2 && ends[0].error == 0 && dx_hbtp_is_idle(&ends[1].s));
    call_works(1); /* the draining side may still send requests */
}

/* >>crossings ---------------------------------------------------------- */
DX_TEST(hb_25_drains_that_cross_are_both_heard_and_answered)
{
    both_open(true, true);
    greet();
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_drain(&ends[i].s, 503, NULL), 0);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_drain(&ends[i].s, 503, NULL), 0); /* the second call does nothing */
    settle();
    for (int i = 0; i < 2; i++) {
        DX_CHECK(ends[i].s.peer.drains && ends[i].events[DX_HBTP_EVENT_DRAIN] == 1 && dx_hbtp_is_idle(&ends[i].s));
        DX_CHECK(ends[i].results == 0 && ends[i].events[DX_HBTP_EVENT_REFUSED] == 0);
        DX_CHECK_EQ(dx_hbtp_call(&ends[i].s, 1, "1", 1, UINT64_MAX, NULL, NULL), DX_HBTP_ECANCELED);
    }
}

DX_TEST(hb_25_a_side_that_is_drained_may_drain_too)
{
    both_open(true, true);
    greet();
    for (int i = 0; i < 2; i++) {
        DX_CHECK_EQ(dx_hbtp_drain(&ends[i].s, 503, NULL), 0);
        settle();
        DX_CHECK(ends[!i].s.peer.drains && dx_hbtp_is_idle(&ends[i].s));
    }
}

DX_TEST(hb_25_a_drain_before_the_answer_to_our_hello_is_told_later)
{
    both_open(true, true);
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
    DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, NULL), DX_HBTP_EAGAIN);
    settle();
    DX_CHECK(!ends[1].s.peer.drains);
    DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, NULL), 0);
    settle();
    DX_CHECK(ends[1].s.peer.drains && dx_hbtp_is_idle(&ends[0].s));
}

DX_TEST(hb_20_a_hello_that_is_not_answered_in_time_ends_the_session)
{
    const uint8_t *p;
    size_t size;
    both_open(true, true);
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, now + 20 * MS), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "hi", 2, UINT64_MAX, NULL, NULL), 0);
    dx_hbtp_out_reset(&ends[0].out); /* the peer does not see it */
    DX_CHECK_EQ(dx_hbtp_tick(&ends[0].s, now + 20 * MS - 1), now + 20 * MS);
    DX_CHECK_EQ(ends[0].s.state == DX_HBTP_CLOSED, 0);
    (void)dx_hbtp_tick(&ends[0].s, now + 20 * MS);
    DX_CHECK(ends[0].s.state == DX_HBTP_CLOSED && ends[0].s.error == DX_HBTP_ETIMEDOUT);
    DX_CHECK(ends[0].results == 1 && !ends[0].s.waiting);
    p = dx_hbtp_out_data(&ends[0].out, &size);
    DX_CHECK(size > 10 && p[0] == DX_HBTP_OP_CLOSE && (p[8] | p[9] << 8) == 408);
}

DX_TEST(hb_20_a_buffer_of_its_own_keeps_to_the_limit_of_the_peer_as_well)
{
    uint8_t memory[2000];
    static const uint8_t bytes[1200];
    dx_hbtp_out out;
    size_t size;
    dx_hbtp_file_chunk chunk = {1, 0, bytes, 984, false}; /* and 16 before them */
    DX_CHECK_EQ(dx_hbtp_out_init(&out, memory, sizeof memory), 0);
    DX_CHECK_EQ(dx_hbtp_out_set_payload_max(&out, 255), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_out_set_payload_max(&out, 1000), 0);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, DX_HBTP_OP_BINARY_BLOB, 0, 0, bytes, 1001), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 1, bytes, 1001), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_file_chunk(&out, 1, &chunk), 0);
    chunk.data_size++;
    DX_CHECK_EQ(dx_hbtp_write_file_chunk(&out, 1, &chunk), DX_HBTP_ETOOBIG);
    (void)dx_hbtp_out_data(&out, &size);
    DX_CHECK_EQ(size, 8 + 1000);
    dx_hbtp_out_reset(&out); /* which keeps it */
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 1, bytes, 1001), DX_HBTP_ETOOBIG);
    for (int i = 0; i < 2; i++) { /* any may */
        DX_CHECK_EQ(dx_hbtp_out_set_payload_max(&out, i ? UINT32_MAX : 0), 0);
        DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 1, bytes, 1001), 0);
        dx_hbtp_out_reset(&out);
    }
}

DX_TEST(hb_25_a_drain_is_heard_by_a_side_with_as_many_requests_as_it_takes)
{
    dx_hbtp_session_desc d;
    both_open(true, true);
    end_desc(&ends[1], &d);
    d.pending_max = 2;
    end_open(&ends[1], true, &d);
    ends[1].puts_off = true;
    greet();
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, NULL), DX_HBTP_EAGAIN); /* it would be the third */
    ends[0].s.peer.requests_max = 0;                                   /* of a peer that did not state it */
    DX_CHECK_EQ(dx_hbtp_drain(&ends[0].s, 503, NULL), 0);
    settle();
    DX_CHECK(ends[1].handled == 2 && ends[1].s.peer.drains && ends[0].s.waiting == 2);
}

DX_TEST(hb_23_what_was_given_up_counts_until_the_peer_has_answered)
{
    dx_hbtp_session_desc d;
    uint16_t sequence[3];
    both_open(true, true);
    end_desc(&ends[1], &d);
    d.pending_max = 2;
    end_open(&ends[1], true, &d);
    ends[1].puts_off = true;
    greet();
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, i ? now + MS : UINT64_MAX, NULL, &sequence[i]), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, sequence[0]), 0);
    now += 2 * MS;
    (void)dx_hbtp_tick(&ends[0].s, now);
    settle();
    DX_CHECK(ends[0].s.waiting == 0 && ends[0].results == 2);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), DX_HBTP_EAGAIN); /* it would get 429 */
    DX_CHECK_EQ(dx_hbtp_reply(&ends[1].s, sequence[0], "1", 1), 0);
    settle();
    DX_CHECK_EQ(ends[0].events[DX_HBTP_EVENT_LATE], 1);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, &sequence[2]), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), DX_HBTP_EAGAIN);
    settle();
    for (int i = 1; i < 3; i++) DX_CHECK_EQ(dx_hbtp_reply(&ends[1].s, sequence[i], "1", 1), 0);
    settle();
    DX_CHECK(ends[1].handled == 3 && !ends[1].events[DX_HBTP_EVENT_REFUSED] && ends[0].results == 3);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
}

DX_TEST(hb_23_an_answer_of_a_slot_that_was_used_again_gives_its_room_back)
{
    dx_hbtp_session_desc d;
    uint16_t first = 0, last = 0;
    both_open(true, true);
    end_desc(&ends[0], &d);
    d.outstanding_max = 1;
    end_open(&ends[0], true, &d);
    end_desc(&ends[1], &d);
    d.pending_max = 2;
    end_open(&ends[1], true, &d);
    ends[1].puts_off = true;
    greet();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, &first), 0);
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, first), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, &last), 0); /* in the only slot */
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, last), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), DX_HBTP_EAGAIN);
    DX_CHECK_EQ(dx_hbtp_reply(&ends[1].s, first, "1", 1), 0);
    settle();
    DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
}

DX_TEST(hb_25_nothing_is_written_behind_a_close_that_a_drain_is_answered_by)
{
    size_t size;
    const uint8_t *p;
    dx_hbtp_frame frame;
    both_open(true, true);
    greet();
    ends[0].closes = true;
    DX_CHECK_EQ(dx_hbtp_drain(&ends[1].s, 503, NULL), 0);
    DX_CHECK(pass(1));
    p = dx_hbtp_out_data(&ends[0].out, &size);
    for (; size; p += frame.frame_size, size -= (size_t)frame.frame_size)
        DX_CHECK(dx_hbtp_parse(p, size, 4096, &frame) > 0);
    DX_CHECK_EQ(frame.opcode, DX_HBTP_OP_CLOSE);
}

DX_TEST(hb_25_a_request_that_was_begun_before_the_drain_is_answered)
{
    static const uint8_t call[] = {0x30, 4, 7, 0, 3, 0, 0, 0, 1, 'h', 'i'};
    for (int how = 0; how < 2; how++) { /* short frames and long ones */
        const uint8_t *p;
        size_t size;
        both_open(true, true);
        greet();
        ends[1].again = 1;
        if (how) dx_hbtp_require_hello(&ends[1].s), ends[1].s.hello_first_ = false;
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), 0);
        DX_CHECK_EQ(dx_hbtp_drain(&ends[1].s, 503, NULL), 0);
        DX_CHECK(pass(1));
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), (int64_t)sizeof call);
        p = dx_hbtp_out_data(&ends[1].out, &size);
        DX_CHECK(size == 10 && p[0] == DX_HBTP_OP_RPC_RESPONSE && ends[1].handled == 2);
        dx_hbtp_out_reset(&ends[1].out);
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), (int64_t)sizeof call); /* no other request is started */
        DX_CHECK_EQ(ends[1].handled, 2);
    }
}

DX_TEST(hb_23_a_deadline_counts_from_the_first_time_and_frees_the_room_it_waited_for)
{
    static const uint8_t call[] = {0x30, 0x24, 7, 0, 10, 0, 0, 0, 7, 0, 1, 4, 0, 5, 0, 0, 0, 1};
    const uint8_t *p;
    size_t size;
    both_open(true, true);
    greet();
    ends[1].again = 100;
    for (int i = 0; i < 5; i++) {
        DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), 0);
        DX_CHECK_EQ(ends[1].deadline_ns, now + (uint64_t)(5 - i) * MS);
        now += MS;
    }
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), (int64_t)sizeof call);
    p = dx_hbtp_out_data(&ends[1].out, &size);
    DX_CHECK(size > 10 && p[0] == DX_HBTP_OP_RPC_ERROR && (p[8] | p[9] << 8) == 408 && ends[1].handled == 5);
    dx_hbtp_out_reset(&ends[1].out);
    ends[1].again = 0;
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), (int64_t)sizeof call); /* a request of its own */
    DX_CHECK(ends[1].handled == 6 && ends[1].deadline_ns == now + 5 * MS);
}

static int on_big(const dx_hbtp_context *c) /* needs an empty buffer */
{
    if (dx_hbtp_out_room(c->out) < OUT) return DX_HBTP_ENOSPACE;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, NULL, 0);
}

DX_TEST(hb_23_a_request_that_waited_for_room_and_is_late_leaves_it_to_others)
{
    static const uint8_t call[] = {0x30, 0x24, 7, 0, 10, 0, 0, 0, 7, 0, 1, 4, 0, 5, 0, 0, 0, 2};
    both_open(true, true);
    greet();
    DX_CHECK_EQ(dx_hbtp_router_set_method(&ends[1].router, 2, on_big, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(&ends[1].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), 0);
    DX_CHECK_EQ(ends[1].s.state, DX_HBTP_WANTS_OUTPUT);
    DX_CHECK_EQ(dx_hbtp_call(&ends[1].s, 1, "1", 1, UINT64_MAX, NULL, NULL), DX_HBTP_ENOSPACE);
    now += 5 * MS;
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, call, sizeof call, now), (int64_t)sizeof call);
    DX_CHECK_EQ(dx_hbtp_call(&ends[1].s, 1, "1", 1, UINT64_MAX, NULL, NULL), 0);
}

DX_TEST(hb_21_nothing_is_handled_before_a_hello_that_is_required)
{
    static const uint8_t frames[] = {0x41, 0, 0, 0, 1, 0, 0, 0, 9, 0x50, 0, 5, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 2, 0, 0, 0, 0, 0x80};
    static const uint8_t opcodes[] = {0x41, 0x50, 0xff};
    both_open(true, true);
    for (size_t i = 0; i < 3; i++) DX_CHECK_EQ(dx_hbtp_router_set(&ends[1].router, opcodes[i], on_call, NULL), 0);
    dx_hbtp_require_hello(&ends[1].s);
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, frames, sizeof frames, now), (int64_t)sizeof frames);
    DX_CHECK(ends[1].handled == 0 && ends[1].events[DX_HBTP_EVENT_REFUSED] == 3);
    greet();
    ends[1].puts_off = true;
    DX_CHECK_EQ(dx_hbtp_feed(&ends[1].s, frames, sizeof frames, now), (int64_t)sizeof frames);
    DX_CHECK_EQ(ends[1].handled, 3);
}

DX_TEST(hb_23_no_more_streams_are_opened_than_the_peer_takes)
{
    dx_hbtp_session_desc d;
    uint32_t stream;
    both_open(true, true);
    end_desc(&ends[1], &d);
    d.streams_max = 1;
    end_open(&ends[1], true, &d);
    greet();
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 9, NULL, 0, 0, NULL, &stream), 0);
    DX_CHECK_EQ(dx_hbtp_open(&ends[0].s, 9, NULL, 0, 0, NULL, &stream), DX_HBTP_EAGAIN);
}

DX_TEST(hb_20_a_hello_that_every_peer_would_refuse_is_not_said)
{
    dx_hbtp_session_desc d;
    both_open(true, true);
    ends[0].hello.credit = UINT32_C(1) << 31;
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), DX_HBTP_EINVAL);
    ends[0].hello.credit = 0;
    end_desc(&ends[0], &d);
    d.payload_max = 255;
    end_open(&ends[0], true, &d);
    DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), DX_HBTP_EINVAL);
}

/* Cancelled requests that are answered after all numbers have been used since. */
DX_TEST(hb_24_a_late_answer_is_none_of_a_later_request_with_the_same_number)
{
    uint16_t old[8];
    uint32_t others = 0;
    both_open(true, true);
    greet();
    ends[1].puts_off = true;
    for (int i = 0; i < 8; i++) {
        DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "old", 3, UINT64_MAX, NULL, &old[i]), 0);
        settle();
        DX_CHECK_EQ(dx_hbtp_cancel(&ends[0].s, old[i]), 0);
    }
    settle();
    ends[1].puts_off = false;
    for (; others < 3 * 65536; others++) { /* the number is free only once it was answered */
        uint16_t number;
        DX_CHECK_EQ(dx_hbtp_call(&ends[0].s, 1, "new", 3, UINT64_MAX, NULL, &number), 0);
        for (int i = 0; i < 8; i++) DX_CHECK(number != old[i]);
        settle();
    }
    for (int i = 0; i < 8; i++) DX_CHECK_EQ(dx_hbtp_reply(&ends[1].s, old[i], NULL, 0), 0);
    settle();
    DX_CHECK_EQ(ends[0].events[DX_HBTP_EVENT_LATE], 8);
}

/* >>a model ------------------------------------------------------------
   Hello, requests, cancels, drains and closes cross on the line in every order, split anywhere. A side
   closes as the contract of dx_hbtp_drain() allows: after the notification, when idle. Then, always,

       a request is handled at most once, and not at all if its answer is 503;
       after both have agreed on version 2, each request gets an answer unless its own side gave it up;
       no side is notified of a drain twice, and both agree about the version and the drains. */
enum { ASKED = 200 };
typedef struct asked {
    int      from;
    unsigned begun, ended;
    bool     cancelled;
    uint16_t sequence;
} asked;

static asked       asks[ASKED];
static unsigned    ask_count;
static dx_choices *luck;
static uint16_t    owed[2][ASKED]; /* answers that a side gives later */
static uint8_t     owed_name[2][ASKED];
static unsigned    owed_count[2];
static uint8_t     lines[2][1 << 15]; /* what side x has sent and the other has not consumed */
static size_t      line_size[2];
static bool        told[2], closed_v2[2];
static bool        patient; /* handlers may ask for another call, but not forever */

static int cross_call(const dx_hbtp_context *c)
{
    end *e = end_of(c->session);
    const int me = e == &ends[1];
    asked *a = &asks[c->payload[0]];
    DX_CHECK_EQ(a->from, !me);
    a->begun = 1;
    if (dx_choose(luck, 5) == 1 && patient) return DX_HBTP_EAGAIN;
    if (dx_choose(luck, 2) != 1) return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, 1);
    owed_name[me][owed_count[me]] = c->payload[0];
    owed[me][owed_count[me]++] = c->frame->sequence;
    return DX_HBTP_LATER;
}

static void cross_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    asked *a = (asked *)r->user;
    const int me = end_of(s) == &ends[1];
    DX_CHECK(a && a->from == me);
    DX_CHECK_EQ(a->ended++, 0);
    if (r->error == DX_HBTP_EREMOTE && r->status == 503) DX_CHECK_EQ(a->begun, 0);
    if (r->error == DX_HBTP_OK) DX_CHECK(a->begun && r->payload_size == 1 && r->payload[0] == (uint8_t)(a - asks));
    if (r->error == DX_HBTP_ECANCELED) DX_CHECK(a->cancelled || !closed_v2[!me]);
}

static void cross_ask(int me)
{
    asked *a = &asks[ask_count];
    const uint8_t name = (uint8_t)ask_count;
    if (ask_count == ASKED) return;
    memset(a, 0, sizeof *a);
    a->from = me;
    if (!dx_hbtp_call(&ends[me].s, 1, &name, 1, UINT64_MAX, a, &a->sequence)) ask_count++;
}

static void cross_give_up(int me)
{
    asked *a = ask_count ? &asks[dx_choose(luck, ask_count - 1)] : NULL;
    if (!a || a->from != me || a->ended || ends[me].s.state == DX_HBTP_CLOSED) return;
    a->cancelled = true;
    DX_CHECK_EQ(dx_hbtp_cancel(&ends[me].s, a->sequence), 0);
}

static void cross_answer(int me)
{
    const unsigned last = owed_count[me] - 1;
    if (!owed_count[me]) return;
    if (!dx_hbtp_reply(&ends[me].s, owed[me][last], &owed_name[me][last], 1)) owed_count[me]--;
}

static void cross_drain(int me)
{
    told[me] |= !dx_hbtp_drain(&ends[me].s, 503, NULL);
}

/* As a draining program: retry until it is notified, and close when nothing is pending. */
static void cross_leave(int me)
{
    if (!ends[me].s.drains_ || ends[me].s.state == DX_HBTP_CLOSED) return;
    cross_drain(me);
    if (!told[me] || !dx_hbtp_is_idle(&ends[me].s)) return;
    closed_v2[me] = ends[me].s.peer.version == 2;
    if (dx_hbtp_close(&ends[me].s, 0, NULL)) closed_v2[me] = false;
}

static bool cross_move(int from, size_t put, size_t take)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&ends[from].out, &size);
    const uint64_t frames = ends[!from].s.counters.frames;
    int64_t used = 0;
    bool moved;
    if (size > put) size = put;
    if (size > sizeof lines[from] - line_size[from]) size = sizeof lines[from] - line_size[from];
    memcpy(lines[from] + line_size[from], bytes, size);
    line_size[from] += size;
    moved = size > 0;
    DX_CHECK_EQ(dx_hbtp_out_consume(&ends[from].out, size), 0);
    if (take > line_size[from]) take = line_size[from];
    if (ends[!from].s.state == DX_HBTP_CLOSED) used = (int64_t)take;
    else used = dx_hbtp_feed(&ends[!from].s, lines[from], take, now); /* including collected bytes, again */
    if (used < 0 || ends[!from].s.state == DX_HBTP_CLOSED) used = (int64_t)take;
    line_size[from] -= (size_t)used;
    memmove(lines[from], lines[from] + used, line_size[from]);
    return moved || used > 0 || ends[!from].s.counters.frames > frames;
}

DX_PROPERTY(hb_26_hello_drain_cancel_and_close_cross_in_every_order, 4000)
{
    const unsigned ages = (unsigned)dx_choose(c, 4); /* 3 and 4: both support version 2 */
    bool said = false;
    both_open(true, ages >= 2);
    luck = c;
    patient = true;
    ask_count = 0;
    memset(owed_count, 0, sizeof owed_count);
    memset(line_size, 0, sizeof line_size);
    memset(told, 0, sizeof told);
    memset(closed_v2, 0, sizeof closed_v2);
    for (int i = 0; i < 2; i++) {
        DX_CHECK_EQ(dx_hbtp_router_set_method(&ends[i].router, 1, cross_call, NULL), 0);
        ends[i].s.desc.on_result = cross_result;
        ends[i].s.desc.pending_max = (uint32_t)dx_choose_range(c, 1, 6);
        ends[i].s.desc.frames_max = (uint32_t)dx_choose_range(c, 1, 9);
    }
    for (uint64_t steps = dx_choose(c, 120); steps; steps--) {
        const int me = (int)dx_choose(c, 1);
        switch (dx_choose(c, 9)) {
        case 0:
            if (me || said || !ages || ask_count || ends[0].s.state == DX_HBTP_CLOSED) break; /* the connecting side says it first */
            DX_CHECK_EQ(dx_hbtp_say_hello(&ends[0].s, &ends[0].hello, UINT64_MAX), 0);
            said = true;
            break;
        case 1:
        case 2: cross_ask(me); break;
        case 3: cross_give_up(me); break;
        case 4: cross_answer(me); break;
        case 5: if (dx_choose(c, 3) == 1) cross_drain(me); break;
        case 6: cross_leave(me); break;
        default: cross_move(me, (size_t)dx_choose(c, 60), (size_t)dx_choose(c, 60));
        }
    }
    patient = false;
    for (int quiet = 0; quiet < 20;) { /* and then let everything finish */
        bool moved = false;
        for (int i = 0; i < 2; i++) {
            moved |= owed_count[i] > 0 && ends[i].s.state != DX_HBTP_CLOSED;
            cross_answer(i);
            moved |= cross_move(i, SIZE_MAX, SIZE_MAX);
            cross_leave(i);
        }
        quiet = moved ? 0 : quiet + 1;
    }
    for (unsigned i = 0; i < ask_count; i++) DX_CHECK_EQ(asks[i].ended, 1);
    for (int i = 0; i < 2; i++) DX_CHECK(ends[i].events[DX_HBTP_EVENT_DRAIN] <= 1);
    if (ends[0].s.error || ends[1].s.error) return; /* a Hello met a drain: refused, and reported */
    for (int i = 0; i < 2; i++) {
        if (ends[i].s.drains_) DX_CHECK(ends[0].s.state == DX_HBTP_CLOSED && ends[1].s.state == DX_HBTP_CLOSED);
        else if (ends[!i].s.state != DX_HBTP_CLOSED) DX_CHECK_EQ(ends[0].s.peer.version, ends[1].s.peer.version);
    }
}

/* >>vectors ------------------------------------------------------------

   The header of tests/vectors/hbtp.txt defines its words. The clients of examples/clients/ must pass the same
   vectors. */
enum { VECTOR_STREAMS = 8, VECTOR_BYTES = 24 * 1024 };

typedef struct vector_stream { /* one that is open, or our own that has ended */
    uint32_t id;
    uint32_t unread;
} vector_stream;

typedef struct vector_side {
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    dx_hbtp_hello   hello;
    uint8_t         out_memory[8192];
    _Alignas(8) uint64_t memory[16384];
    vector_stream   streams[VECTOR_STREAMS];
    uint32_t        stream_count;
    uint32_t        window;
    int             ended[8][2]; /* number, status as in the file */
    unsigned        ended_count, ended_seen;
} vector_side;

static vector_side side;
static size_t      vector_piece; /* input comes in pieces of this size */

static int vector_echo(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

static int vector_result(const dx_hbtp_context *c) { return *(const int *)c->user; }

static void vector_ended(uint32_t number, int error, uint16_t status)
{
    int said = error ? -1 : 0;
    if (error == DX_HBTP_EREMOTE) said = status;
    DX_CHECK(side.ended_count < 8);
    side.ended[side.ended_count][0] = (int)number;
    side.ended[side.ended_count++][1] = said;
}

static void vector_on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    (void)s;
    vector_ended(r->sequence, r->error, r->status);
}

static vector_stream *vector_find(uint32_t id)
{
    uint32_t i;
    for (i = 0; i < side.stream_count; i++)
        if (side.streams[i].id == id) return &side.streams[i];
    DX_CHECK(side.stream_count < VECTOR_STREAMS);
    side.streams[side.stream_count].id = id;
    return &side.streams[side.stream_count++];
}

static int vector_on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *event)
{
    vector_stream *stream = vector_find(event->stream);
    if (event->kind == DX_HBTP_STREAM_OPENED) {
        stream->unread = 0;
        if (event->method != 1) return DX_HBTP_STATUS_NOT_FOUND;
        DX_CHECK_EQ(dx_hbtp_grant(s, event->stream, side.window), 0);
    }
    if (event->kind == DX_HBTP_STREAM_CHUNK) stream->unread += (uint32_t)event->size;
    if (event->kind == DX_HBTP_STREAM_ENDED && event->stream > 0xffff)
        vector_ended(event->stream & 0xffff, event->error, event->status);
    return 0;
}

/* Bytes in hex, including "61*500", up to the end of the line. */
static size_t vector_hex(const char *text, uint8_t *out)
{
    size_t n = 0;
    while (*text) {
        char *end;
        const unsigned long value = strtoul(text, &end, 16);
        unsigned long times = 1;
        if (end == text) break;
        if (*end == '*') times = strtoul(end + 1, &end, 10);
        DX_CHECK(n + times <= VECTOR_BYTES && value < 256);
        memset(out + n, (int)value, times);
        n += times;
        text = end;
    }
    return n;
}

static void vector_feed(const uint8_t *bytes, size_t size)
{
    while (size) { /* a change of the rules for the next frame ends the feed: the rest is fed again */
        const int64_t n = dx_hbtp_feed(&side.s, bytes, size < vector_piece ? size : vector_piece, now);
        if (n < 0) return;
        bytes += n;
        size -= (size_t)n;
    }
}

static unsigned vector_value(const char *words, const char *name, unsigned usual)
{
    const char *at = strstr(words, name);
    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : usual;
}

/* A new session, from the words after "set". */
static void vector_begin(const char *words)
{
    static const int results[] = {DX_HBTP_ESYS, DX_HBTP_LATER, DX_HBTP_STATUS_UNAVAILABLE};
    static const uint8_t greeting[] = {1, 2, 0, 1, 2, 2, 16, 0, 0, 4, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 200, 0, 0, 0, 3, 4, 0, 15, 0, 0, 0};
    const bool accepts = strstr(words, "accepts") != NULL;
    dx_hbtp_session_desc d;
    unsigned i;
    memset(&side, 0, sizeof side);
    memset(&d, 0, sizeof d);
    now = 1000 * MS;
    side.window = vector_value(words, "window=", 500);
    side.hello.credit = vector_value(words, "credit=", 100);
    side.hello.needs = vector_value(words, "needs=", 0);
    DX_CHECK_EQ(dx_hbtp_out_init(&side.out, side.out_memory, sizeof side.out_memory), 0);
    DX_CHECK_EQ(dx_hbtp_router_init(&side.router), 0);
    DX_CHECK_EQ(dx_hbtp_router_set_method(&side.router, 1, vector_echo, NULL), 0);
    for (i = 0; i < 3; i++)
        DX_CHECK_EQ(dx_hbtp_router_set_method(&side.router, (uint8_t)(2 + i), vector_result, (void *)(uintptr_t)&results[i]), 0);
    if (accepts) DX_CHECK_EQ(dx_hbtp_router_set(&side.router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &side.hello), 0);
    d.memory = side.memory;
    d.memory_size = sizeof side.memory;
    d.out = &side.out;
    d.router = &side.router;
    d.on_result = vector_on_result;
    d.payload_max = vector_value(words, "payload=", 1000);
    d.pending_max = vector_value(words, "requests=", 2);
    d.streams_max = vector_value(words, "streams=", 2);
    d.on_stream = vector_on_stream;
    DX_CHECK_EQ(dx_hbtp_session_init(&side.s, &d), 0);
    if (accepts && side.hello.needs) dx_hbtp_require_hello(&side.s);
    if (strstr(words, "greeted")) {
        uint8_t frame[8 + sizeof greeting] = {DX_HBTP_OP_RPC_RESPONSE, 0, 1, 0, sizeof greeting};
        if (accepts) frame[0] = DX_HBTP_OP_HELLO;
        if (accepts) frame[1] = DX_HBTP_FLAG_EXPECTS_RESPONSE;
        else DX_CHECK_EQ(dx_hbtp_say_hello(&side.s, &side.hello, UINT64_MAX), 0);
        memcpy(frame + 8, greeting, sizeof greeting);
        vector_feed(frame, sizeof frame);
        dx_hbtp_out_reset(&side.out);
    }
}

/* What the program does, from the words after "do". The peer's limits may forbid it. */
static void vector_do(const char *words)
{
    static uint8_t bytes[VECTOR_BYTES];
    const char *rest = strchr(words, ' ');
    char *behind;
    const long number = rest ? strtol(rest, &behind, 10) : 0;
    const uint32_t id = number < 0 ? (uint32_t)-number : (uint32_t)number | 0x10000;
    const char *last = strrchr(words, ' ');
    const bool deadline = last && strlen(last) == 5;
    size_t size = 0;
    int error = 0;
    if (rest && strncmp(words, "call", 4) && strncmp(words, "finish", 6) && strncmp(words, "reset", 5)) size = vector_hex(behind, bytes);
    if (!strncmp(words, "call", 4)) {
        char text[256];
        const size_t length = (size_t)((deadline ? last : words + strlen(words)) - behind);
        DX_CHECK(length < sizeof text);
        memcpy(text, behind, length);
        text[length] = 0;
        size = vector_hex(text, bytes);
        error = dx_hbtp_call(&side.s, (uint8_t)number, bytes, size, deadline ? now + strtoul(last, NULL, 10) * MS : UINT64_MAX, NULL, NULL);
    } else if (!strncmp(words, "open", 4)) {
        uint32_t stream;
        error = dx_hbtp_open(&side.s, (uint8_t)number, bytes, size, side.window, NULL, &stream);
    } else if (!strncmp(words, "cancel", 6)) error = dx_hbtp_cancel(&side.s, (uint16_t)number);
    else if (!strncmp(words, "reply", 5)) error = dx_hbtp_reply(&side.s, (uint16_t)number, bytes, size);
    else if (!strncmp(words, "send", 4)) error = dx_hbtp_send(&side.s, id, bytes, size) < 0;
    else if (!strncmp(words, "read", 4)) (void)dx_hbtp_grant(&side.s, id, vector_find(id)->unread); /* unless it has ended */
    else if (!strncmp(words, "finish", 6)) error = dx_hbtp_finish(&side.s, id, (uint16_t)strtoul(behind, NULL, 10), NULL);
    else if (!strncmp(words, "reset", 5)) error = dx_hbtp_reset(&side.s, id, (uint16_t)strtoul(behind, NULL, 10), NULL);
    else if (!strncmp(words, "hello", 5)) error = dx_hbtp_say_hello(&side.s, &side.hello, UINT64_MAX);
    else if (!strncmp(words, "drain", 5)) error = dx_hbtp_drain(&side.s, DX_HBTP_STATUS_UNAVAILABLE, NULL);
    else if (!strncmp(words, "close", 5)) error = dx_hbtp_close(&side.s, 0, NULL);
    else DX_CHECK(!"a word of the vectors");
    DX_CHECK(!error || error == DX_HBTP_EAGAIN || error == DX_HBTP_ECANCELED);
}

/* All written bytes, without the texts of statuses. */
static size_t vector_written(uint8_t *out)
{
    size_t left, n = 0;
    const uint8_t *p = dx_hbtp_out_data(&side.out, &left);
    dx_hbtp_frame f;
    while (left) {
        const int64_t size = dx_hbtp_parse(p, left, UINT32_MAX, &f);
        uint32_t payload = f.payload_size;
        DX_CHECK(size > 0 && n + (size_t)size <= VECTOR_BYTES);
        if ((f.opcode == DX_HBTP_OP_RPC_ERROR || f.opcode == DX_HBTP_OP_CLOSE || f.opcode == DX_HBTP_OP_RPC_STREAM_END ||
             f.opcode == DX_HBTP_OP_DRAIN) && payload > 4)
            payload = 4;
        memcpy(out + n, p, 8 + (size_t)payload);
        out[n + 4] = (uint8_t)payload;
        out[n + 5] = (uint8_t)(payload >> 8);
        n += 8 + (size_t)payload;
        p += size;
        left -= (size_t)size;
    }
    dx_hbtp_out_reset(&side.out);
    return n;
}

/* Run one line. Returns the error, or NULL. */
static const char *vector_step(const char *line)
{
    static uint8_t bytes[VECTOR_BYTES], written[VECTOR_BYTES];
    const char *rest = line + strcspn(line, " ");
    size_t size;
    rest += strspn(rest, " ");
    if (!strncmp(line, "in ", 3)) {
        size = vector_hex(rest, bytes);
        vector_feed(bytes, size);
    } else if (!strncmp(line, "do ", 3)) {
        vector_do(rest);
    } else if (!strncmp(line, "out", 3)) {
        size = vector_hex(rest, bytes);
        if (vector_written(written) != size || memcmp(written, bytes, size) != 0) return "it wrote something else";
    } else if (!strncmp(line, "ended ", 6)) {
        char *behind;
        const long number = strtol(rest, &behind, 10);
        if (side.ended_seen == side.ended_count) return "nothing has ended";
        if (side.ended[side.ended_seen][0] != number || side.ended[side.ended_seen][1] != strtol(behind, NULL, 10)) return "it ended otherwise";
        side.ended_seen++;
    } else if (!strcmp(line, "closed")) {
        if (side.s.state != DX_HBTP_CLOSED) return "it is not closed";
    } else if (strncmp(line, "set", 3) != 0) {
        return "a word that nobody knows";
    }
    return NULL;
}

static void vectors_in_pieces(size_t piece)
{
    size_t size;
    char *const text = (char *)dx_test_file("tests/vectors/hbtp.txt", &size);
    char *line = text;
    const char *name = NULL, *last = "";
    unsigned names = 0, wrong = 0;
    bool begun = false; /* a session of this name exists */
    vector_piece = piece;
    DX_CHECK(text != NULL);
    while (line && *line) {
        char *const next = strchr(line, '\n');
        if (next) *next = 0;
        if (!*line && name) {
            if (!strcmp(last, "closed") != (side.s.state == DX_HBTP_CLOSED) || side.ended_seen != side.ended_count) {
                printf("  %s: how it ended\n", name);
                wrong++;
            }
            name = NULL;
        } else if (*line && *line != '#') {
            const char *why = NULL;
            if (name && !begun) vector_begin(strncmp(line, "set ", 4) ? "" : line);
            if (name) why = vector_step(line);
            if (why && ++wrong) printf("  %s: %s: %s\n", name, why, line);
            begun = name != NULL;
            if (!name) names++;
            if (!name) name = line;
            last = line;
        }
        line = next ? next + 1 : NULL;
    }
    DX_CHECK(names > 100);
    DX_CHECK_EQ(wrong, 0);
    free(text);
}

DX_TEST(hb_26_sessions_do_what_the_vectors_say)
{
    vectors_in_pieces(VECTOR_BYTES);
    vectors_in_pieces(1);
}
