/* The model of a connection: two sessions of dx_hbtp.h over a lossless line of a few bytes, with random splits, delays and
   pauses. Programs on both sides stream, call, subscribe and publish; their handlers fail at every point, after side
   effects, and flush in between. Whatever happens,

       every request ends exactly once, with one answer on the wire;
       every byte of a stream arrives once and in order, and so do its end and status;
       no state change is applied to a wrong base;
       as long as both sides read, something moves until everything is done;
       both use the version that both know.

   The second part is about time: a peer that is silent, dribbles or does not read.

   DX_TEST_RUNS=250 makes 100,000 runs of the model. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { PIPE = 600, INPUT = 1200, OUT = 1400, TRACKS = 12, CALLS = 60, STATES = 3, PAYLOAD = 500, LATER = 8 };

typedef struct pipe {
    uint8_t bytes[PIPE];
    size_t  size, capacity;
} pipe_t;

typedef struct side {
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    dx_hbtp_cipher  cipher;
    uint8_t         out_memory[OUT], input[INPUT];
    _Alignas(8) uint64_t memory[2200];
    size_t          input_size, input_max;
    unsigned        asleep;        /* steps in which it does not read */
    unsigned        retries;       /* consecutive retries of the current handler */
    uint32_t        calls_max;     /* open at a time */
    size_t          answer_max;    /* maximum size of its answers */
    uint16_t        later[LATER];  /* requests of the peer to answer later, */
    uint16_t        later_id[LATER];
    size_t          later_count;
    bool            seen[STATES];  /* of the peer's states */
    uint64_t        value[STATES];
    bool            wants[STATES];
} side;

typedef struct track { /* a stream; index 0 and 1: the side */
    bool     open[2], over[2], cancelled;
    int      opener;
    uint32_t handle[2], window[2], owed[2]; /* owed: to be granted by the program */
    uint64_t want[2], sent[2], got[2], record[2]; /* record: where the arriving one began */
    bool     sent_end[2], got_end[2];
    uint16_t status[2];  /* the side's final status */
} track;

typedef struct call {
    int      from, ended;
    uint8_t  method, arguments[100];
    size_t   size;
} call;

static side        sides[2];
static pipe_t      pipes[2]; /* what side x has sent */
static track       tracks[TRACKS];
static call        calls[CALLS];
static size_t      track_count, call_count;
static uint64_t    truth[STATES];
static dx_hbtp_hub hub;       /* of side 1 */
static uint64_t    hub_memory[6 * STATES];
static dx_choices *choices;
static bool        calm;      /* no more faults: let everything finish */
static uint64_t    faults;    /* handlers that failed in this run */
static dx_hbtp_hello hellos[2];
static unsigned    ages;      /* 1: side 0 sends a Hello; 2: side 1 understands it */

static int number_of(const side *x) { return x == &sides[1]; }

static uint8_t byte_of(const track *t, int from, uint64_t i)
{
    return (uint8_t)((size_t)(t - tracks) * 7 + (size_t)from * 3 + i * 13 + i / 251);
}

/* Records: the unit in which the receiving program consumes before it grants anything, from one byte to its whole
   window. */
static uint64_t record_size(const track *t, int to)
{
    const uint64_t n = (t->record[to] * 2654435761u >> 7) + (uint64_t)(t - tracks);
    return n % 3 == 0 ? t->window[to] : 1 + n % t->window[to];
}

/* >>codecs: toys, but strict ones ---------------------------------------- */
static size_t toy_pack(void *user, const void *in, size_t size, void *out, size_t capacity) /* runs: count, byte */
{
    const uint8_t *p = (const uint8_t *)in;
    uint8_t *q = (uint8_t *)out;
    size_t n = 0;
    (void)user;
    for (size_t i = 0, run; i < size; i += run) {
        for (run = 1; i + run < size && run < 255 && p[i + run] == p[i];) run++;
        if (capacity - n < 2) return 0;
        q[n++] = (uint8_t)run;
        q[n++] = p[i];
    }
    return n;
}

static int64_t toy_unpack(void *user, const void *in, size_t size, void *out, size_t capacity)
{
    const uint8_t *p = (const uint8_t *)in;
    size_t n = 0;
    (void)user;
    if (size % 2) return DX_HBTP_ECORRUPT;
    for (size_t i = 0; i < size; i += 2) {
        if (p[i] > capacity - n) return DX_HBTP_ETOOBIG;
        memset((uint8_t *)out + n, p[i + 1], p[i]);
        n += p[i];
    }
    return (int64_t)n;
}

static const dx_hbtp_codec toy_codec = {toy_pack, toy_unpack, NULL};

static void toy_tag(uint64_t counter, const uint8_t header[8], const uint8_t *data, size_t size, uint8_t tag[16])
{
    uint64_t h[2] = {counter * 0x9e3779b97f4a7c15u + size, counter};
    for (size_t i = 0; i < size + 8; i++) {
        h[i & 1] = (h[i & 1] ^ (i < 8 ? header[i] : data[i - 8])) * 0x100000001b3u;
        h[~i & 1] += h[i & 1] >> 7;
    }
    memcpy(tag, h, 16);
}

static int toy_seal(void *user, uint64_t counter, const uint8_t header[8], uint8_t *data, size_t size)
{
    (void)user;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(data[i] ^ counter ^ i * 31);
    toy_tag(counter, header, data, size, data + size);
    return 0;
}

static int toy_open(void *user, uint64_t counter, const uint8_t header[8], const uint8_t *data, size_t size, uint8_t *plain)
{
    uint8_t tag[16];
    (void)user;
    toy_tag(counter, header, data, size - 16, tag);
    for (size_t i = 0; i < size - 16; i++) plain[i] = (uint8_t)(data[i] ^ counter ^ i * 31);
    return memcmp(tag, data + size - 16, 16);
}

/* >>line ------------------------------------------------------------------ */
/* Move bytes from the response buffer to the line, as a socket would; also inside handlers. */
static size_t put_on_line(side *x, size_t most)
{
    pipe_t *line = &pipes[number_of(x)];
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&x->out, &size);
    if (size > most) size = most;
    if (size > line->capacity - line->size) size = line->capacity - line->size;
    memcpy(line->bytes + line->size, p, size);
    line->size += size;
    DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, size), 0);
    return size;
}

static void feed(side *x)
{
    uint8_t *exact = NULL;
    uint32_t state;
    int64_t used;
    if (x->input_size) {
        exact = (uint8_t *)malloc(x->input_size);
        memcpy(exact, x->input, x->input_size);
    }
    used = dx_hbtp_feed(&x->s, exact, x->input_size, 1);
    free(exact);
    DX_CHECK(used >= 0 && x->s.state != DX_HBTP_CLOSED);
    DX_CHECK((size_t)used <= x->input_size);
    memmove(x->input, x->input + used, x->input_size -= (size_t)used);
    if (x != &sides[1]) return;
    for (int named = 0; dx_hbtp_hub_behind(&hub, &state); named++) {
        DX_CHECK(named < 2 * STATES);
        dx_hbtp_catch_up(&hub, state, &truth[state], 8);
    }
}

static size_t take_from_line(side *x, size_t most)
{
    pipe_t *line = &pipes[!number_of(x)];
    size_t n = x->input_max - x->input_size;
    if (n > most) n = most;
    if (n > line->size) n = line->size;
    memcpy(x->input + x->input_size, line->bytes, n);
    x->input_size += n;
    memmove(line->bytes, line->bytes + n, line->size -= n);
    return n;
}

/* >>what programs do ------------------------------------------------------- */
static void send_on(side *x, track *t, size_t most)
{
    const int me = number_of(x);
    uint8_t data[64];
    size_t n = most < sizeof data ? most : sizeof data;
    int64_t taken;
    if (!t->open[me] || t->over[me] || t->sent_end[me]) return;
    if (n > t->want[me] - t->sent[me]) n = (size_t)(t->want[me] - t->sent[me]);
    for (size_t i = 0; i < n; i++) data[i] = byte_of(t, me, t->sent[me] + i);
    taken = dx_hbtp_send(&x->s, t->handle[me], data, n);
    DX_CHECK(taken >= 0);
    t->sent[me] += (uint64_t)taken;
}

static void finish_on(side *x, track *t)
{
    const int me = number_of(x);
    if (!t->open[me] || t->over[me] || t->sent_end[me] || t->sent[me] < t->want[me]) return;
    t->sent_end[me] = true; /* it may end within the call */
    if (dx_hbtp_finish(&x->s, t->handle[me], t->status[me], "why")) t->sent_end[me] = false;
}

static void grant_on(side *x, track *t)
{
    const int me = number_of(x);
    const uint32_t owed = t->owed[me];
    if (!t->open[me] || t->over[me] || !owed) return;
    t->owed[me] = 0;
    DX_CHECK_EQ(dx_hbtp_grant(&x->s, t->handle[me], owed), 0);
}

static void call_from(side *x, uint8_t method, size_t size)
{
    call *k = &calls[call_count];
    if (call_count == CALLS || x->s.waiting >= x->calls_max) return;
    memset(k, 0, sizeof *k);
    k->from = number_of(x);
    k->method = method;
    k->arguments[0] = (uint8_t)call_count;
    k->size = size < 1 ? 1 : size > sizeof k->arguments ? sizeof k->arguments : size;
    for (size_t i = 1; i < k->size; i++) k->arguments[i] = (uint8_t)(i / 9);
    /* A deadline that never expires here, as time stands still. Version 2 transmits it. */
    const uint64_t deadline = dx_choose(choices, 2) == 1 ? UINT64_C(7000000) : UINT64_MAX;
    if (!dx_hbtp_call(&x->s, method, k->arguments, k->size, deadline, k, NULL)) call_count++;
}

static void open_from(side *x)
{
    const int me = number_of(x);
    track *t = &tracks[track_count];
    uint8_t name = (uint8_t)track_count;
    if (track_count == TRACKS) return;
    memset(t, 0, sizeof *t);
    t->opener = me;
    for (int i = 0; i < 2; i++) {
        t->window[i] = (uint32_t)dx_choose_range(choices, 1, 90);
        t->want[i] = dx_choose(choices, 3) ? dx_choose(choices, 400) : 0;
        t->status[i] = dx_choose(choices, 3) == 1 ? 503 : 0;
    }
    if (dx_hbtp_open(&x->s, 1, &name, 1, t->window[me], t, &t->handle[me])) return;
    t->open[me] = true;
    track_count++;
}

static void subscribe_from(side *x, uint32_t state, bool on)
{
    const uint8_t number[4] = {(uint8_t)state, 0, 0, 0};
    call *k = &calls[call_count];
    if (x->wants[state] == on || call_count == CALLS || x->s.waiting >= x->calls_max) return;
    memset(k, 0, sizeof *k);
    k->from = number_of(x);
    k->method = 0xff;
    if (dx_hbtp_request(&x->s, on ? DX_HBTP_OP_STATE_SUBSCRIBE : DX_HBTP_OP_STATE_UNSUBSCRIBE, 0, number, 4, UINT64_MAX, k, NULL))
        return;
    call_count++;
    x->wants[state] = on;
    if (!on) x->seen[state] = false; /* after it subscribes again, a full state comes first */
}

static void publish(uint32_t state, bool whole)
{
    truth[state]++;
    dx_hbtp_publish(&hub, state, whole ? DX_HBTP_OP_STATE_SYNC : DX_HBTP_OP_STATE_DELTA, &truth[state], 8);
}

/* Write until nothing more fits: the start of a mutual deadlock. */
static void fill_up(side *x)
{
    static const uint8_t event[200] = {1};
    size_t room = dx_hbtp_out_room(&x->out);
    while (room > 48) {
        if (dx_hbtp_write_frame(&x->out, DX_HBTP_OP_SERVER_EVENT, 0, 0, event, room > 240 ? 200 : room - 48)) return;
        room = dx_hbtp_out_room(&x->out);
    }
    while (!dx_hbtp_write_frame(&x->out, DX_HBTP_OP_SERVER_EVENT, 0, 0, event, 0)) { }
}

/* An action that changes more than the response buffer, or not. */
static void do_anything(side *x)
{
    track *t = track_count ? &tracks[dx_choose(choices, track_count - 1)] : NULL;
    uint8_t event[40] = {1};
    switch (dx_choose(choices, 9)) {
    case 8: fill_up(x); break;
    case 0: call_from(x, (uint8_t)dx_choose(choices, 3), (size_t)dx_choose(choices, x->answer_max)); break;
    case 1: open_from(x); break;
    case 2: (void)dx_hbtp_write_frame(&x->out, DX_HBTP_OP_SERVER_EVENT, 0, 0, event, (size_t)dx_choose(choices, 40)); break;
    case 3: if (t) finish_on(x, t); break;
    case 4: if (t) grant_on(x, t); break;
    case 5:
        if (!t || dx_choose(choices, 9) != 1 || !t->open[number_of(x)] || t->over[number_of(x)]) break;
        t->cancelled = true;
        DX_CHECK_EQ(dx_hbtp_reset(&x->s, t->handle[number_of(x)], 500, "no more"), 0);
        break;
    case 6:
        if (x == &sides[1]) publish((uint32_t)dx_choose(choices, STATES - 1), dx_choose(choices, 4) == 1);
        else subscribe_from(x, (uint32_t)dx_choose(choices, STATES - 1), dx_choose(choices, 3) != 1);
        break;
    default: if (t) send_on(x, t, (size_t)dx_choose(choices, 64));
    }
}

static int answer(const dx_hbtp_context *c, bool packed)
{
    side *x = (side *)c->session->desc.user;
    uint8_t *place = dx_hbtp_out_next(c->out);
    if (!packed) return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
    if (dx_hbtp_out_room(c->out) < c->payload_size + 28) return DX_HBTP_ENOSPACE;
    memcpy(place, c->payload, c->payload_size); /* where the payload will be: packing must not overwrite it */
    return dx_hbtp_write_packed(c->out, x->s.desc.codec, DX_HBTP_OP_RPC_RESPONSE, 0, c->frame->sequence, place, c->payload_size);
}

static int on_echo(const dx_hbtp_context *c) { return answer(c, c->user != NULL); }

static int on_event_frame(const dx_hbtp_context *c) /* fails without a reason; the peer is not told */
{
    side *x = (side *)c->session->desc.user;
    static const int results[] = {0, 0, 500, DX_HBTP_ECORRUPT, DX_HBTP_EAGAIN};
    if (calm) return 0;
    if (dx_choose(choices, 3) == 1) do_anything(x);
    if (dx_choose(choices, 5) == 1) put_on_line(x, SIZE_MAX);
    const int result = results[dx_choose(choices, 4)];
    if (result == DX_HBTP_EAGAIN && x->retries++ > 3) return 0;
    faults += result != 0;
    return result;
}

/* Acts at random, flushes, answers or not, and fails in every way. */
static int on_trouble(const dx_hbtp_context *c)
{
    side *x = (side *)c->session->desc.user;
    static const int results[] = {400, 500, DX_HBTP_ENOSPACE, DX_HBTP_EAGAIN, DX_HBTP_ECORRUPT, DX_HBTP_LATER};
    bool answered = false;
    if (!calm && x->retries < 4) {
        for (uint64_t n = dx_choose(choices, 3); n; n--) do_anything(x);
        if (dx_choose(choices, 3) == 1) put_on_line(x, (size_t)dx_choose(choices, 100));
        if (dx_choose(choices, 2) == 1) answered = !answer(c, false);
        for (uint64_t n = dx_choose(choices, 2); n; n--) do_anything(x);
        if (dx_choose(choices, 3) == 1) put_on_line(x, (size_t)dx_choose(choices, 100));
        if (!answered || dx_choose(choices, 1)) {
            const int result = results[dx_choose(choices, 5)];
            faults++;
            if (result == DX_HBTP_ENOSPACE || result == DX_HBTP_EAGAIN) x->retries++;
            if (result != DX_HBTP_LATER) return result;
            if (answered) return DX_HBTP_LATER; /* there is no later: the answer was already sent */
            if (x->later_count < LATER) {
                x->later[x->later_count] = c->frame->sequence;
                x->later_id[x->later_count++] = c->payload[0];
                return DX_HBTP_LATER;
            }
        }
    }
    x->retries = 0;
    return answered ? 0 : answer(c, false);
}

static void reply_later(side *x)
{
    if (!x->later_count) return;
    const size_t i = x->later_count - 1;
    const uint8_t id = (uint8_t)x->later_id[i];
    const int error = x->later[i] & 1 ? dx_hbtp_reply_error(&x->s, x->later[i], 503, "") : dx_hbtp_reply(&x->s, x->later[i], &id, 1);
    DX_CHECK(!error || error == DX_HBTP_ENOSPACE);
    if (!error) x->later_count--;
}

static int on_state(const dx_hbtp_context *c)
{
    side *x = (side *)c->session->desc.user;
    uint64_t value;
    const uint32_t state = c->payload[0];
    DX_CHECK_EQ(c->payload_size, 12);
    memcpy(&value, c->payload + 4, 8);
    if (c->frame->opcode == DX_HBTP_OP_STATE_SYNC) x->seen[state] = true;
    else if (x->seen[state]) DX_CHECK_EQ(value, x->value[state] + 1); /* a change to a known state */
    else DX_CHECK(!x->wants[state] || x->s.waiting);                  /* sent before it unsubscribed */
    x->value[state] = value;
    return 0;
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    call *k = (call *)r->user;
    DX_CHECK_EQ(k->from, number_of((side *)s->desc.user));
    DX_CHECK_EQ(k->ended++, 0);
    if (r->error == DX_HBTP_ECANCELED) return; /* the end of the run */
    DX_CHECK(!r->error || r->error == DX_HBTP_EREMOTE);
    if (r->error || k->method == 0xff) return;
    if (k->method < 2) DX_CHECK_EQ(r->payload_size, k->size);
    DX_CHECK_MEM(r->payload, k->arguments, r->payload_size < k->size ? r->payload_size : k->size);
    if (!calm && dx_choose(choices, 5) == 1) do_anything((side *)s->desc.user);
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    if (event == DX_HBTP_EVENT_HELLO && !calm && dx_choose(choices, 3) == 1) do_anything((side *)s->desc.user);
    DX_CHECK(event != DX_HBTP_EVENT_DUPLICATE && event != DX_HBTP_EVENT_LATE); /* one answer per request */
    if (event == DX_HBTP_EVENT_UNASKED)
        DX_CHECK(frame->opcode == DX_HBTP_OP_RPC_STREAM_CHUNK || frame->opcode == DX_HBTP_OP_RPC_STREAM_END);
}

static int on_data(side *x, track *t, const dx_hbtp_stream_event *e)
{
    const int me = number_of(x);
    for (size_t i = 0; i < e->size; i++) DX_CHECK_EQ(e->data[i], byte_of(t, !me, t->got[me] + i));
    t->got[me] += e->size;
    DX_CHECK(!e->size || !t->got_end[me]);
    while (t->got[me] - t->record[me] >= record_size(t, me)) {
        const uint64_t size = record_size(t, me);
        t->record[me] += size;
        t->owed[me] += (uint32_t)size;
    }
    if (calm || dx_choose(choices, 1)) grant_on(x, t);
    return 0;
}

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    side *x = (side *)s->desc.user;
    const int me = number_of(x);
    track *t = (track *)e->user;
    if (e->kind == DX_HBTP_STREAM_OPENED) {
        t = &tracks[e->data[0]];
        DX_CHECK(t->opener != me && !t->open[me]);
        t->handle[me] = e->stream;
        t->open[me] = true;
        e->user = t;
        t->owed[me] = t->window[me];
        if (calm || dx_choose(choices, 1)) grant_on(x, t);
        if (calm || dx_choose(choices, 15) != 1) return 0;
        t->cancelled = true;
        faults++;
        return 404;
    }
    DX_CHECK(t && t->handle[me] == e->stream && !t->over[me]);
    switch (e->kind) {
    case DX_HBTP_STREAM_CHUNK: return on_data(x, t, e);
    case DX_HBTP_STREAM_FINISHED:
        DX_CHECK(!t->got_end[me]);
        DX_CHECK_EQ(e->status, t->status[!me]);
        DX_CHECK_EQ(t->got[me], t->want[!me]);
        t->got_end[me] = true;
        return 0;
    default: break;
    }
    DX_CHECK_EQ(e->kind, DX_HBTP_STREAM_ENDED);
    t->over[me] = true;
    if (!t->cancelled && s->state != DX_HBTP_CLOSED) {
        DX_CHECK_EQ(e->error, t->status[!me] ? DX_HBTP_EREMOTE : DX_HBTP_OK);
        DX_CHECK_EQ(e->status, t->status[!me]);
    }
    return 0;
}

/* >>a run ------------------------------------------------------------------ */
static void start_side(int which, bool sealed, bool coded, bool checked, bool both_ask)
{
    side *x = &sides[which];
    dx_hbtp_session_desc d;
    memset(x, 0, sizeof *x);
    memset(&d, 0, sizeof d);
    x->calls_max = both_ask ? 2 : which ? 0 : 8;
    x->answer_max = both_ask ? 16 : 100;
    d.reply_room = dx_choose(choices, 3) == 1 ? (uint32_t)dx_choose_range(choices, 128, 300) : 0;
    const size_t least = (d.reply_room ? d.reply_room : 128u) + 128u;
    DX_CHECK_EQ(dx_hbtp_out_init(&x->out, x->out_memory, (size_t)dx_choose_range(choices, least, least + (dx_choose(choices, 1) ? 40 : 700))), 0);
    dx_hbtp_out_set_checksum(&x->out, checked);
    dx_hbtp_router_init(&x->router);
    dx_hbtp_router_set_method(&x->router, 0, on_echo, NULL);
    dx_hbtp_router_set_method(&x->router, 1, on_echo, x);
    dx_hbtp_router_set_method(&x->router, 2, on_trouble, NULL);
    dx_hbtp_router_set_method(&x->router, 3, on_trouble, NULL);
    dx_hbtp_router_set(&x->router, DX_HBTP_OP_SERVER_EVENT, on_event_frame, NULL);
    dx_hbtp_router_set(&x->router, DX_HBTP_OP_STATE_SYNC, on_state, NULL);
    dx_hbtp_router_set(&x->router, DX_HBTP_OP_STATE_DELTA, on_state, NULL);
    dx_hbtp_router_set(&x->router, DX_HBTP_OP_STATE_SUBSCRIBE, dx_hbtp_hub_handler, &hub);
    dx_hbtp_router_set(&x->router, DX_HBTP_OP_STATE_UNSUBSCRIBE, dx_hbtp_hub_handler, &hub);
    x->cipher.seal = toy_seal;
    x->cipher.open = toy_open;
    d.cipher = sealed ? &x->cipher : NULL;
    d.codec = coded ? &toy_codec : NULL;
    d.out = &x->out;
    d.router = &x->router;
    d.on_result = on_result;
    d.on_event = on_event;
    d.on_stream = on_stream;
    d.user = x;
    d.payload_max = PAYLOAD;
    d.outstanding_max = 9;
    d.pending_max = LATER + 1;
    d.frames_max = (uint32_t)dx_choose(choices, 3);
    d.streams_max = 3 * TRACKS;
    d.in_place = dx_choose(choices, 1) != 0;
    d.memory = x->memory;
    d.memory_size = sizeof x->memory;
    DX_CHECK_EQ(dx_hbtp_session_init(&x->s, &d), 0);
    x->input_max = d.in_place ? PAYLOAD + 12 : (size_t)dx_choose_range(choices, 1, dx_choose(choices, 1) ? 30 : INPUT);
}

static void start_run(dx_choices *c)
{
    dx_hbtp_hub_desc d;
    choices = c;
    calm = false;
    faults = 0;
    track_count = call_count = 0;
    memset(truth, 0, sizeof truth);
    memset(&d, 0, sizeof d);
    d.memory = hub_memory;
    d.memory_size = sizeof hub_memory;
    d.seed = dx_choose(c, UINT32_MAX);
    DX_CHECK_EQ(dx_hbtp_hub_init(&hub, &d), 0);
    const bool sealed = dx_choose(c, 3) == 1, coded = dx_choose(c, 1) != 0, checked = dx_choose(c, 3) == 1;
    const bool both_ask = dx_choose(c, 1) != 0;
    for (int i = 0; i < 2; i++) {
        start_side(i, sealed, coded, checked, both_ask);
        pipes[i].size = 0;
        pipes[i].capacity = (size_t)dx_choose_range(c, 1, dx_choose(c, 1) ? 20 : PIPE);
    }
    ages = (unsigned)dx_choose(c, 3);
    memset(hellos, 0, sizeof hellos);
    for (int i = 0; i < 2; i++) hellos[i].credit = (uint32_t)dx_choose(c, 80);
    if (ages & 2) DX_CHECK_EQ(dx_hbtp_router_set(&sides[1].router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &hellos[1]), 0);
    if (ages & 1) DX_CHECK_EQ(dx_hbtp_say_hello(&sides[0].s, &hellos[0], UINT64_MAX), 0);
}

static void random_step(dx_choices *c)
{
    side *x = &sides[dx_choose(c, 1)];
    switch (dx_choose(c, 5)) {
    case 0:
    case 1: do_anything(x); break;
    case 2:
        if (put_on_line(x, (size_t)dx_choose(c, 300))) feed(x);
        break;
    case 3:
        if (x->asleep) {
            x->asleep--;
            break;
        }
        if (dx_choose(c, 20) == 1) x->asleep = (unsigned)dx_choose(c, 40);
        if (take_from_line(x, (size_t)dx_choose(c, 300))) feed(x);
        break;
    case 4: reply_later(x); break;
    default: feed(x);
    }
}

/* One step of a well-behaved program: it does what is left to do. Returns how much moved. */
static uint64_t calm_turn(side *x)
{
    uint64_t moved = x->s.counters.frames + x->s.counters.bytes;
    uint64_t bytes = 0;
    for (size_t i = 0; i < track_count; i++) {
        const int me = number_of(x);
        const uint64_t sent = tracks[i].sent[me];
        grant_on(x, &tracks[i]);
        send_on(x, &tracks[i], 64);
        finish_on(x, &tracks[i]);
        bytes += tracks[i].sent[me] - sent;
    }
    reply_later(x);
    bytes += put_on_line(x, SIZE_MAX);
    bytes += take_from_line(x, SIZE_MAX);
    feed(x);
    return x->s.counters.frames + x->s.counters.bytes - moved + bytes;
}

static void check_all_is_done(void)
{
    for (int i = 0; i < 2; i++) {
        size_t size;
        (void)dx_hbtp_out_data(&sides[i].out, &size);
        DX_CHECK_EQ(size, 0);
        DX_CHECK_EQ(pipes[i].size, 0);
        DX_CHECK_EQ(sides[i].input_size, 0);
        DX_CHECK_EQ(sides[i].s.waiting, 0);
        DX_CHECK_EQ(sides[i].s.stream_count_, 0);
        DX_CHECK_EQ(sides[i].s.pending_, 0);
        DX_CHECK_EQ(sides[i].s.peer.version, ages == 3 ? 2 : 1);
    }
    for (size_t i = 0; i < call_count; i++) DX_CHECK_EQ(calls[i].ended, 1);
    for (size_t i = 0; i < track_count; i++) {
        const track *t = &tracks[i];
        DX_CHECK(t->open[t->opener] && t->over[t->opener]);
        DX_CHECK_EQ(t->open[!t->opener], t->over[!t->opener]);
        if (t->cancelled) continue;
        for (int k = 0; k < 2; k++) {
            DX_CHECK_EQ(t->got[k], t->want[!k]);
            DX_CHECK(t->got_end[k]);
        }
    }
    for (size_t i = 0; i < STATES; i++) {
        if (!sides[0].wants[i]) continue;
        DX_CHECK(sides[0].seen[i]);
        DX_CHECK_EQ(sides[0].value[i], truth[i]);
    }
}

DX_PROPERTY(hb_13_two_sessions_over_a_line_lose_nothing_and_never_stand_still, 400)
{
    start_run(c);
    for (uint64_t steps = dx_choose(c, 500); steps; steps--) random_step(c);
    calm = true;
    for (int idle = 0; idle < 4;) idle = calm_turn(&sides[0]) + calm_turn(&sides[1]) ? 0 : idle + 1;
    check_all_is_done();
    for (int i = 0; i < 2; i++) dx_hbtp_abort(&sides[i].s);
    for (size_t i = 0; i < call_count; i++) DX_CHECK_EQ(calls[i].ended, 1);
}

/* >>room -------------------------------------------------------------------- */
/* Side 1 alone, its line cut: its output stays in its response buffer. */
static side *lonely(dx_choices *c, size_t out_size)
{
    side *x = &sides[1];
    start_run(c);
    calm = true;
    memset(tracks, 0, sizeof tracks);
    dx_hbtp_out_init(&x->out, x->out_memory, out_size);
    DX_CHECK_EQ(dx_hbtp_session_set_out(&x->s, &x->out), 0);
    x->s.desc.frames_max = 100;
    x->s.desc.cipher = NULL;
    x->out.cipher_ = NULL;
    x->out.flags_ = 0;
    return x;
}

static int64_t frame_in(side *x, unsigned opcode, unsigned flags, unsigned sequence, const void *payload, size_t size)
{
    uint8_t bytes[700];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, bytes, sizeof bytes);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)opcode, (uint8_t)flags, (uint16_t)sequence, payload, size), 0);
    const uint8_t *p = dx_hbtp_out_data(&out, &size);
    return dx_hbtp_feed(&x->s, p, size, 1);
}

static unsigned count_frames(const side *x, unsigned opcode)
{
    size_t size;
    unsigned n = 0;
    const uint8_t *p = dx_hbtp_out_data(&x->out, &size);
    for (dx_hbtp_frame f; size; p += f.frame_size, size -= (size_t)f.frame_size) {
        DX_CHECK(dx_hbtp_parse(p, size, 65536, &f) > 0);
        n += f.opcode == opcode;
    }
    return n;
}

DX_TEST(hb_13_credit_is_told_though_the_program_fills_the_buffer_again_and_again)
{
    side *x = lonely(c, 256);
    track *t = &tracks[0];
    uint8_t chunk[4 + 90] = {0};
    t->window[1] = 90;
    t->want[0] = 900;
    DX_CHECK_EQ(frame_in(x, 0x33, 4, 1, "\0\0\0\0\0\0\0\0\0", 9), 17);
    for (int i = 0; i < 10; i++) {
        const size_t credit = x->s.streams_[0].receive_credit;
        DX_CHECK(credit > 0); /* it was notified, as there was room */
        DX_CHECK_EQ(count_frames(x, 0x34), 1);
        for (size_t k = 0; k < credit; k++) chunk[4 + k] = byte_of(t, 0, t->got[1] + k);
        fill_up(x);
        DX_CHECK_EQ(frame_in(x, 0x34, 4, 1, chunk, 4 + credit), 12 + credit);
        DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, x->out.used_), 0);
        fill_up(x); /* the program is faster than the session */
        DX_CHECK_EQ(dx_hbtp_feed(&x->s, NULL, 0, 1), 0);
    }
}

static int answer_200(const dx_hbtp_context *c)
{
    static const uint8_t result[200] = {2};
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, result, sizeof result);
}

DX_TEST(hb_9_a_handler_that_waits_for_room_is_the_first_to_get_it)
{
    side *x = lonely(c, 300);
    uint8_t call[9] = {0x30, 4, 5, 0, 1, 0, 0, 0, 9};
    dx_hbtp_router_set_method(&x->router, 9, answer_200, NULL);
    fill_up(x);
    DX_CHECK_EQ(dx_hbtp_feed(&x->s, call, 9, 1), 0);
    DX_CHECK_EQ(x->s.state, DX_HBTP_WANTS_OUTPUT);
    for (int i = 0; count_frames(x, 0x31) == 0; i++) {
        DX_CHECK(i < 3);
        DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, 100), 0);
        fill_up(x); /* receives nothing meanwhile */
        (void)dx_hbtp_feed(&x->s, call, 9, 1);
    }
}

DX_TEST(hb_13_a_number_is_free_again_when_both_sides_have_ended_the_stream)
{
    for (int how = 0; how < 2; how++) {
        side *x = lonely(c, 256);
        DX_CHECK_EQ(frame_in(x, 0x33, 4, 1, "\0\0\0\0\0\0\0\0\0", 9), 17);
        if (how) DX_CHECK_EQ(dx_hbtp_finish(&x->s, 1, 0, NULL), 0);
        fill_up(x);
        tracks[0].cancelled = true;
        DX_CHECK_EQ(dx_hbtp_reset(&x->s, 1, 500, "a text that is left out"), 0); /* no room for it */
        DX_CHECK(tracks[0].over[1] && x->s.stream_count_ == 1);
        if (how) frame_in(x, 0x35, 12, 1, NULL, 0); /* the peer has finished; or cancelled, too */
        else frame_in(x, 0x35, 4, 1, "\xf7\1\0\0", 4);
        DX_CHECK_EQ(x->s.stream_count_, 0);
        DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, x->out.used_), 0);
        tracks[0].open[1] = tracks[0].over[1] = false;
        DX_CHECK_EQ(frame_in(x, 0x33, 4, 1, "\0\0\0\0\0\0\0\0\0", 9), 17); /* another stream */
        DX_CHECK_EQ(count_frames(x, 0x35), 0); /* whose end is not sent */
        DX_CHECK_EQ(x->s.stream_count_, 1);
    }
}

/* Frames that never block, at every fill of the response buffer that writers can reach. */
DX_TEST(hb_9_all_but_requests_are_taken_in_while_the_buffer_is_full)
{
    side *x = lonely(c, 256);
    uint8_t state[12] = {0};
    fill_up(x);
    x->out.limit_ = x->out.size_; /* and answers have filled the rest */
    fill_up(x);
    x->out.limit_ = 128;
    DX_CHECK(x->out.size_ - x->out.used_ < 8);
    DX_CHECK_EQ(frame_in(x, 0x10, 0, 0, state, 12), 20);
    DX_CHECK_EQ(frame_in(x, 0x41, 0, 0, state, 12), 20);
    DX_CHECK_EQ(frame_in(x, 0x7f, 0, 0, state, 12), 20); /* unknown */
    DX_CHECK_EQ(frame_in(x, 0x20, 1, 0, state, 12), 20); /* unreadable */
    DX_CHECK_EQ(frame_in(x, 0x35, 4, 77, NULL, 0), 8);
    DX_CHECK_EQ(x->s.state, DX_HBTP_WANTS_INPUT);
    DX_CHECK_EQ(frame_in(x, 0x7f, 4, 5, state, 12), 0); /* requests wait until they can be answered */
    DX_CHECK_EQ(x->s.state, DX_HBTP_WANTS_OUTPUT);
    DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, x->out.used_), 0);
    DX_CHECK_EQ(frame_in(x, 0x7f, 4, 5, state, 12), 20);
    DX_CHECK_EQ(count_frames(x, 0x32), 1);
    DX_CHECK_EQ(frame_in(x, 0x02, 8, 0, NULL, 0), 8);
    DX_CHECK_EQ(count_frames(x, 0x02), 1);
}

/* >>time --------------------------------------------------------------------- */
static side *timed(dx_choices *c, bool in_place, uint64_t keepalive_ns, uint64_t frame_ns)
{
    side *x = lonely(c, 600);
    dx_hbtp_session_desc d = x->s.desc;
    d.in_place = in_place;
    d.keepalive_ns = keepalive_ns;
    d.frame_ns = frame_ns;
    d.codec = NULL;
    d.cipher = NULL;
    d.on_event = NULL;
    DX_CHECK_EQ(dx_hbtp_session_init(&x->s, &d), 0);
    return x;
}

DX_TEST(hb_15_bytes_that_come_again_are_no_sign_of_life)
{
    for (int in_place = 0; in_place < 2; in_place++) {
        side *x = timed(c, in_place != 0, 10, UINT64_MAX);
        uint8_t call[9] = {0x30, 4, 5, 0, 1, 0, 0, 0, 9};
        uint64_t now = 100;
        dx_hbtp_router_set_method(&x->router, 9, answer_200, NULL);
        fill_up(x); /* the peer does not read, so its call waits, and is fed again each time */
        x->out.limit_ = x->out.size_;
        fill_up(x);
        for (; x->s.state != DX_HBTP_CLOSED && now < 200; now++) {
            (void)dx_hbtp_feed(&x->s, call, 9, now);
            (void)dx_hbtp_tick(&x->s, now);
        }
        DX_CHECK_EQ(now, 121);
        DX_CHECK_EQ(x->s.error, DX_HBTP_ETIMEDOUT);
    }
}

/* A peer that sends one byte of a large frame now and then, always before the next keepalive ping. */
DX_PROPERTY(hb_15_a_frame_that_does_not_become_whole_in_time_closes, 300)
{
    const bool in_place = dx_choose(c, 1) != 0;
    const uint64_t keepalive = dx_choose(c, 1) ? dx_choose_range(c, 2, 50) : 0, frame_ns = dx_choose_range(c, 1, 300);
    side *x = timed(c, in_place, keepalive, frame_ns);
    uint8_t bytes[512] = {0x41, 0, 0, 0, (uint8_t)244, 1};
    uint64_t now = 1, begun = 0, next;
    size_t have = 0, whole = 0;
    DX_CHECK(PAYLOAD == 500);
    for (int frames = (int)dx_choose(c, 3); frames; frames--) { /* complete frames restart the timer */
        DX_CHECK_EQ(dx_hbtp_feed(&x->s, bytes, 508, now), 508);
        now += dx_choose(c, 400);
        whole++;
    }
    next = dx_hbtp_tick(&x->s, now);
    if (x->s.state == DX_HBTP_CLOSED) { /* silent, between two frames */
        DX_CHECK(keepalive);
        return;
    }
    for (begun = now; x->s.state != DX_HBTP_CLOSED; have++) {
        int64_t used;
        if (have == 507) return; /* no time has passed, and now it is complete */
        used = dx_hbtp_feed(&x->s, in_place ? bytes : bytes + have, in_place ? have + 1 : 1, now);
        if (used < 0) break;
        DX_CHECK_EQ(used, in_place ? 0 : 1);
        DX_CHECK(now - begun < frame_ns);
        next = dx_hbtp_tick(&x->s, now);
        DX_CHECK(next <= begun + frame_ns); /* it is called in time, whatever else is due */
        now += dx_choose(c, keepalive ? keepalive - 1 : 40);
        if (now > next) now = next;
        (void)dx_hbtp_tick(&x->s, now);
    }
    DX_CHECK_EQ(x->s.error, DX_HBTP_ETIMEDOUT);
    DX_CHECK(now >= begun + frame_ns);
    DX_CHECK_EQ(x->s.counters.frames, whole);
    DX_CHECK_EQ(count_frames(x, 0x02), 1);
}

DX_TEST(hb_15_a_whole_frame_that_waits_for_us_is_not_late)
{
    side *x = timed(c, false, 0, 10);
    uint8_t call[9] = {0x30, 4, 5, 0, 1, 0, 0, 0, 9};
    dx_hbtp_router_set_method(&x->router, 9, answer_200, NULL);
    DX_CHECK_EQ(dx_hbtp_feed(&x->s, call, 5, 100), 5);
    DX_CHECK_EQ(dx_hbtp_tick(&x->s, 100), 110);
    fill_up(x);
    x->out.limit_ = x->out.size_;
    fill_up(x);
    DX_CHECK_EQ(dx_hbtp_feed(&x->s, call + 5, 4, 105), 4);
    DX_CHECK_EQ(dx_hbtp_tick(&x->s, 1000), UINT64_MAX);
    DX_CHECK_EQ(dx_hbtp_out_consume(&x->out, x->out.used_), 0);
    DX_CHECK_EQ(dx_hbtp_feed(&x->s, NULL, 0, 1000), 0);
    DX_CHECK_EQ(count_frames(x, 0x31), 1);
}
