/* dx_states.h: subscriptions that resume from a version (docs/formats/hbtp.md, section 8).

   The model: a publisher of a few states and its subscribers, connected by lines of a few bytes
   that are cut and reconnected at any byte. Subscribers sleep, refuse changes, leave and
   return; the publisher drops old versions and is restarted. Whatever happens,

       a view equals the publisher's state at that version, in that epoch;
       the version of a view never goes back within an epoch;
       a subscriber that lags gets one frame, however many changes it has missed;
       in the end all views equal the publisher's states, also if only wake says when to send.

   DX_TEST_RUNS=25 makes 100,000 runs of it. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_states.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define DOC "docs/formats/hbtp.md"
enum { CLIENTS = 3, STATES = 3, EPOCHS = 4, VERSIONS = 64, CONTENT = 240, KEPT = 6, OUT = 600, PIPE = 700, INPUT = 700 };

typedef struct end { /* of a connection */
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    dx_hbtp_hello   hello;
    uint8_t         out_memory[OUT], pipe[PIPE], input[INPUT]; /* pipe: sent bytes */
    size_t          pipe_size, input_size;
    _Alignas(8) uint64_t memory[600];
    bool            woken, was_full;
    int             client;
} end;

typedef struct content {
    uint8_t bytes[CONTENT];
    size_t  size;
} content;

typedef struct client {
    dx_states_views views;
    dx_states_view  view[STATES];
    content         has[STATES];
    bool            wants[STATES], may_lose[STATES], greeted, is_old, refuses, may_go_back;
    unsigned        asleep;
    unsigned        wholes, changes;
    uint64_t        top[STATES], top_epoch[STATES];
} client;

static end         ends[2][CLIENTS]; /* index 0: the publisher's */
static client      clients[CLIENTS];
static content     history[EPOCHS][STATES][VERSIONS + 1];
static dx_states   states;
static dx_states_state state[STATES];
static _Alignas(8) uint8_t entries[56 * CLIENTS * STATES];
static uint8_t     scratch[512];
static size_t      huge; /* nonzero: the length of what is written */
static uint64_t    epoch;
static unsigned    publisher_age; /* 0: version 1; 1: version 2; 2: it announces versions of states */
static unsigned    writes;
static size_t      pipe_max = 150; /* how much a line holds */
static dx_choices *choices;

static const content *content_of(size_t n, uint64_t of_epoch, uint64_t version)
{
    DX_CHECK(of_epoch >= 1 && of_epoch <= EPOCHS && version >= 1 && version <= VERSIONS);
    return &history[of_epoch - 1][n][version];
}

/* >>publisher ---------------------------------------------------------- */
static int find(void *user, dx_hbtp_session *s, uint32_t number, dx_states_state **found)
{
    (void)user;
    (void)s;
    if (number < 100 || number >= 100 + STATES) return DX_HBTP_STATUS_NOT_FOUND;
    *found = &state[number - 100];
    return 0;
}

/* A change: the new size, then offsets and their new bytes. */
static int write_state(void *user, dx_states_state *it, uint64_t from, uint8_t *out, size_t capacity, size_t *size)
{
    const size_t n = it->number - 100;
    const content *now = content_of(n, it->epoch, it->version);
    (void)user;
    writes++;
    if (huge) { /* longer than the peer accepts */
        memset(out, 0, huge);
        *size = huge;
        return DX_STATES_WHOLE;
    }
    DX_CHECK(from < it->version && capacity >= 2 * CONTENT - 4);
    if (from && it->version - from <= KEPT) {
        const content *old = content_of(n, it->epoch, from);
        out[0] = (uint8_t)now->size;
        *size = 1;
        for (size_t i = 0; i < now->size && *size < now->size; i++) {
            if (i < old->size && old->bytes[i] == now->bytes[i]) continue;
            out[(*size)++] = (uint8_t)i;
            out[(*size)++] = now->bytes[i];
        }
        if (*size < now->size) return DX_STATES_OK;
    }
    memcpy(out, now->bytes, now->size);
    *size = now->size;
    return DX_STATES_WHOLE;
}

static void wake(void *user, dx_hbtp_session *s)
{
    (void)user;
    ((end *)s->desc.user)->woken = true;
}

static void publisher_start(void)
{
    dx_states_desc d;
    epoch++;
    memset(&d, 0, sizeof d);
    d.memory = entries;
    d.memory_size = sizeof entries;
    d.scratch = scratch;
    d.scratch_size = sizeof scratch;
    d.find = find;
    d.write = write_state;
    d.wake = wake;
    DX_CHECK_EQ(dx_states_init(&states, &d), 0);
    for (uint32_t n = 0; n < STATES; n++) {
        dx_states_begin(&state[n], 100 + n, epoch, 1);
        if (epoch > 1) history[epoch - 1][n][1] = history[epoch - 2][n][VERSIONS];
        history[epoch - 1][n][VERSIONS] = history[epoch - 1][n][1]; /* found by a restart */
    }
}

/* Change a few bytes of it, or all. */
static void publisher_change(size_t n, uint64_t seed)
{
    content now;
    uint64_t random = seed;
    if (state[n].version + 1 >= VERSIONS) return;
    now = *content_of(n, epoch, state[n].version);
    if (dx_test_random(&random) % 8 == 0) now.size = (size_t)(dx_test_random(&random) % CONTENT);
    for (uint64_t left = dx_test_random(&random) % 5; left && now.size; left--)
        now.bytes[dx_test_random(&random) % now.size]++;
    history[epoch - 1][n][state[n].version + 1] = now;
    history[epoch - 1][n][VERSIONS] = now;
    dx_states_change(&states, &state[n]);
}

/* >>subscriber --------------------------------------------------------- */
static void check_view(client *c, size_t n)
{
    const dx_states_view *v = &c->view[n];
    const content *has = &c->has[n];
    DX_CHECK(!v->is_lost || c->may_lose[n] || !v->has_versions_);
    if (v->version) {
        const content *was = content_of(n, v->epoch, v->version);
        DX_CHECK_EQ(has->size, was->size);
        DX_CHECK_MEM(has->bytes, was->bytes, has->size);
        DX_CHECK(v->version <= v->latest);
        DX_CHECK(v->epoch != c->top_epoch[n] || v->version >= c->top[n] || c->may_go_back);
        c->top_epoch[n] = v->epoch;
        c->top[n] = v->version;
    }
}

static int apply(dx_states_view *view, bool whole, const uint8_t *data, size_t size)
{
    client *c = (client *)view->user;
    content *has = &c->has[view - c->view];
    if (c->refuses) {
        c->refuses = false;
        c->may_lose[view - c->view] = true;
        return -1;
    }
    if (whole) {
        DX_CHECK(size <= CONTENT);
        memcpy(has->bytes, data, size);
        has->size = size;
        c->wholes++;
        return 0;
    }
    c->changes++;
    DX_CHECK(size >= 1 && size % 2 == 1);
    has->size = data[0];
    for (size_t i = 1; i < size; i += 2) has->bytes[data[i]] = data[i + 1];
    return 0;
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    (void)dx_states_answered(&clients[((end *)s->desc.user)->client].views, s, r);
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    end *e = (end *)s->desc.user;
    (void)frame;
    if (e >= &ends[1][0]) {
        if (event == DX_HBTP_EVENT_HELLO) clients[e->client].greeted = true;
        if (event == DX_HBTP_EVENT_CLOSED) dx_states_closed(&clients[e->client].views, s);
    } else if (event == DX_HBTP_EVENT_CLOSED) {
        dx_states_leave(&states, s);
    }
}

static void open_end(end *e, int of, bool is_client)
{
    dx_hbtp_session_desc d;
    memset(e, 0, sizeof *e);
    e->client = of;
    e->hello.features = is_client || publisher_age > 1 ? DX_HBTP_FEATURE_RESUME : 0;
    DX_CHECK_EQ(dx_hbtp_out_init(&e->out, e->out_memory, sizeof e->out_memory), 0);
    DX_CHECK_EQ(dx_hbtp_router_init(&e->router), 0);
    if (is_client) {
        (void)dx_hbtp_router_set(&e->router, DX_HBTP_OP_STATE_SYNC, dx_states_view_handler, &clients[of].views);
        (void)dx_hbtp_router_set(&e->router, DX_HBTP_OP_STATE_DELTA, dx_states_view_handler, &clients[of].views);
    } else {
        (void)dx_hbtp_router_set(&e->router, DX_HBTP_OP_STATE_SUBSCRIBE, dx_states_handler, &states);
        (void)dx_hbtp_router_set(&e->router, DX_HBTP_OP_STATE_UNSUBSCRIBE, dx_states_handler, &states);
        if (publisher_age) (void)dx_hbtp_router_set(&e->router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &e->hello);
    }
    memset(&d, 0, sizeof d);
    d.memory = e->memory;
    d.memory_size = sizeof e->memory;
    d.out = &e->out;
    d.router = &e->router;
    d.on_result = on_result;
    d.on_event = on_event;
    d.payload_max = 400;
    d.user = e;
    d.in_place = true;
    DX_CHECK_EQ(dx_hbtp_session_init(&e->s, &d), 0);
}

/* The connection is lost with the bytes in flight, and another one is made. */
static void reconnect(int i)
{
    dx_hbtp_abort(&ends[0][i].s);
    dx_hbtp_abort(&ends[1][i].s);
    open_end(&ends[0][i], i, false);
    open_end(&ends[1][i], i, true);
    clients[i].greeted = clients[i].is_old;
    if (!clients[i].is_old) DX_CHECK_EQ(dx_hbtp_say_hello(&ends[1][i].s, &ends[1][i].hello, UINT64_MAX), 0);
}

/* Subscribe to every wanted state that has no subscription. */
static void watch(int i)
{
    client *c = &clients[i];
    dx_hbtp_session *s = &ends[1][i].s;
    for (size_t n = 0; n < STATES && c->greeted; n++) {
        if (c->wants[n] && (c->view[n].is_lost || !c->view[n].session_)) {
            const int error = dx_states_watch(&c->views, &c->view[n], s);
            DX_CHECK(!error || error == DX_HBTP_ENOSPACE || error == DX_HBTP_EAGAIN);
            c->may_lose[n] = c->may_lose[n] && error;
        }
    }
}

/* >>line --------------------------------------------------------------- */
/* Send up to `size` bytes that an end has written. */
static bool send_some(end *e, size_t size)
{
    size_t ready;
    const uint8_t *bytes = dx_hbtp_out_data(&e->out, &ready);
    if (size > ready) size = ready;
    if (e->pipe_size >= pipe_max) size = 0;
    if (size > pipe_max - e->pipe_size) size = pipe_max - e->pipe_size;
    if (size >= OUT / 2) e->was_full = true;
    if (size) memcpy(e->pipe + e->pipe_size, bytes, size);
    e->pipe_size += size;
    DX_CHECK_EQ(dx_hbtp_out_consume(&e->out, size), 0);
    if (e >= &ends[1][0]) return size > 0;
    if (size) (void)dx_hbtp_feed(&e->s, NULL, 0, 1);
    if (e->woken || (size && e->was_full)) { /* when dx_link.h calls writable */
        e->woken = e->was_full = false;
        if (dx_states_send(&states, &e->s)) return true;
    }
    (void)dx_hbtp_out_data(&e->out, &ready);
    e->was_full = e->was_full || ready; /* the connection accepts no more for now */
    return size > 0;
}

/* Receive up to `size` bytes from its peer. */
static bool receive_some(end *e, end *peer, size_t size)
{
    int64_t used;
    if (size > peer->pipe_size) size = peer->pipe_size;
    if (size > INPUT - e->input_size) size = INPUT - e->input_size;
    if (size) memcpy(e->input + e->input_size, peer->pipe, size);
    e->input_size += size;
    peer->pipe_size -= size;
    memmove(peer->pipe, peer->pipe + size, peer->pipe_size);
    used = dx_hbtp_feed(&e->s, e->input, e->input_size, 1);
    DX_CHECK(used >= 0);
    e->input_size -= (size_t)used;
    memmove(e->input, e->input + used, e->input_size);
    if (e >= &ends[1][0])
        for (size_t n = 0; n < STATES; n++) check_view(&clients[e->client], n);
    return size > 0;
}

static bool move_all(int i)
{
    bool moved = send_some(&ends[1][i], PIPE);
    moved |= receive_some(&ends[0][i], &ends[1][i], PIPE);
    moved |= send_some(&ends[0][i], PIPE);
    moved |= receive_some(&ends[1][i], &ends[0][i], PIPE);
    return moved;
}

static void settle(void)
{
    bool moved = true;
    for (unsigned rounds = 0; moved; rounds++) {
        moved = false;
        DX_CHECK(rounds < 10000);
        for (int i = 0; i < CLIENTS; i++) {
            watch(i);
            moved |= move_all(i);
        }
    }
}

static void begin_all(unsigned age, bool (*is_old)(int))
{
    memset(clients, 0, sizeof clients);
    memset(history, 0, sizeof history);
    epoch = 0;
    publisher_age = age;
    pipe_max = 150;
    publisher_start();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].is_old = is_old(i);
        for (uint32_t n = 0; n < STATES; n++) dx_states_view_init(&clients[i].view[n], 100 + n, apply, &clients[i]);
        open_end(&ends[0][i], i, false);
        open_end(&ends[1][i], i, true);
        reconnect(i);
    }
}

static void all_have_everything(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        for (size_t n = 0; n < STATES; n++) {
            const content *has = &clients[i].has[n], *now = content_of(n, epoch, state[n].version);
            if (!clients[i].wants[n]) continue;
            DX_CHECK_EQ(has->size, now->size);
            DX_CHECK_MEM(has->bytes, now->bytes, has->size);
            if (clients[i].view[n].has_versions_) DX_CHECK_EQ(clients[i].view[n].version, state[n].version);
        }
    }
}

static bool nobody(int i) { return i < 0; }
static bool drawn_old(int i) { (void)i; return dx_choose(choices, 3) == 1; }

/* >>format ------------------------------------------------------------- */
/* The next bytes that an end has written, which are not sent on. */
static void is_vector(end *e, const char *name)
{
    uint8_t want[128];
    const size_t n = dx_test_vector(DOC, name, want, sizeof want);
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&e->out, &size);
    DX_CHECK(size >= n);
    DX_CHECK_MEM(bytes, want, n);
    DX_CHECK_EQ(dx_hbtp_out_consume(&e->out, n), 0);
}

/* Feed the bytes of a vector to an end; returns the status of its RpcError, 0: none. */
static int give(end *e, const void *bytes, size_t size)
{
    size_t ready;
    const uint8_t *back;
    int status = 0;
    DX_CHECK_EQ(dx_hbtp_feed(&e->s, bytes, size, 1), (int64_t)size);
    back = dx_hbtp_out_data(&e->out, &ready);
    if (ready >= 12 && back[0] == DX_HBTP_OP_RPC_ERROR) status = back[8] | back[9] << 8;
    return status;
}

/* The same, and its output is not sent on. */
static int status_of(end *e, const void *bytes, size_t size)
{
    const int status = give(e, bytes, size);
    dx_hbtp_out_reset(&e->out);
    return status;
}

static void put_content(size_t n, uint64_t version, const char *text)
{
    content *it = &history[epoch - 1][n][version];
    it->size = strlen(text);
    memcpy(it->bytes, text, it->size);
}

static void want_all(void)
{
    for (int i = 0; i < CLIENTS; i++)
        for (size_t n = 0; n < STATES; n++) clients[i].wants[n] = true;
    settle();
}

DX_TEST(hb_14_frames_with_versions_are_those_of_the_document)
{
    uint8_t bytes[128];
    end *server = &ends[0][0], *e = &ends[1][0];
    dx_states_view *v = &clients[0].view[0];
    size_t n;
    begin_all(2, nobody);
    settle();
    put_content(0, 1, "on at ten o'clock");
    put_content(0, 2, "on at 10 o'clock");
    put_content(0, 3, "On at 10 o'clock");
    state[0].version = 3;
    DX_CHECK_EQ(dx_states_watch(&clients[0].views, v, &e->s), 0);
    is_vector(e, "subscribe-nothing");
    n = dx_test_vector(DOC, "subscribe-nothing", bytes, sizeof bytes);
    DX_CHECK_EQ(give(server, bytes, n), 0);
    is_vector(server, "subscribed");
    DX_CHECK_EQ(dx_states_send(&states, NULL), 1);
    is_vector(server, "state-sync-version");
    n = dx_test_vector(DOC, "subscribed", bytes, sizeof bytes);
    DX_CHECK_EQ(give(e, bytes, n), 0);
    n = dx_test_vector(DOC, "state-sync-version", bytes, sizeof bytes);
    DX_CHECK_EQ(give(e, bytes, n), 0);
    DX_CHECK(v->version == 3 && v->epoch == 1 && v->latest == 3);

    v->version = 2; /* as after a reconnect */
    put_content(0, 4, "On at 10 O'clock");
    clients[0].has[0] = history[0][0][2];
    reconnect(0);
    settle();
    dx_states_change(&states, &state[0]);
    DX_CHECK_EQ(dx_states_watch(&clients[0].views, v, &e->s), 0);
    is_vector(e, "subscribe-version");
    n = dx_test_vector(DOC, "subscribe-version", bytes, sizeof bytes);
    DX_CHECK_EQ(give(server, bytes, n), 0);
    (void)dx_hbtp_out_consume(&server->out, 24); /* the answer */
    DX_CHECK_EQ(dx_states_send(&states, NULL), 1);
    is_vector(server, "state-delta-version");
    n = dx_test_vector(DOC, "subscribed", bytes, sizeof bytes);
    DX_CHECK_EQ(give(e, bytes, n), 0);
    n = dx_test_vector(DOC, "state-delta-version", bytes, sizeof bytes);
    DX_CHECK_EQ(give(e, bytes, n), 0);
    check_view(&clients[0], 0);
    DX_CHECK(v->version == 4 && clients[0].changes == 1 && clients[0].wholes == 1);
}

/* >>publisher ---------------------------------------------------------- */
DX_TEST(hb_14_after_a_reconnect_comes_what_was_missed)
{
    begin_all(2, nobody);
    put_content(0, 1, "a state that is not short at all");
    want_all();
    DX_CHECK_EQ(states.sent_wholes, CLIENTS * STATES);
    for (int times = 0; times < 3; times++) {
        for (int k = 0; k < 4; k++) publisher_change(0, (uint64_t)times * 10 + (uint64_t)k);
        reconnect(0); /* the others get it at once */
        (void)dx_states_send(&states, NULL);
        settle();
        all_have_everything();
    }
    DX_CHECK(states.sent_wholes <= CLIENTS * STATES + 9u && states.sent_changes > 0);
    const unsigned before = clients[1].wholes + clients[1].changes;
    reconnect(1); /* up to date: nothing is sent */
    settle();
    DX_CHECK_EQ(clients[1].wholes + clients[1].changes, before);
    DX_CHECK_EQ(clients[1].view[0].latest, state[0].version);
}

DX_TEST(hb_14_who_was_away_for_too_long_gets_all_of_it)
{
    begin_all(2, nobody);
    want_all();
    reconnect(0);
    for (uint64_t k = 0; k < KEPT + 1; k++) publisher_change(1, k);
    settle();
    (void)dx_states_send(&states, NULL);
    settle();
    all_have_everything();
    DX_CHECK_EQ(clients[0].wholes, STATES + 1);
    publisher_start(); /* in another epoch, where version 1 means another state */
    for (int i = 0; i < CLIENTS; i++) reconnect(i);
    settle();
    (void)dx_states_send(&states, NULL);
    settle();
    all_have_everything();
    DX_CHECK_EQ(clients[0].wholes, 2 * STATES + 1);
}

DX_TEST(hb_14_a_publisher_that_has_lost_versions_sends_all_of_it)
{
    begin_all(2, nobody);
    want_all();
    for (uint64_t k = 0; k < 5; k++) publisher_change(0, k);
    (void)dx_states_send(&states, NULL);
    settle();
    reconnect(0);
    state[0].version = 2; /* for example from a backup */
    clients[0].may_go_back = true;
    history[0][0][2] = history[0][0][1];
    watch(0);
    settle();
    DX_CHECK(clients[0].view[0].version == 2 && !clients[0].view[0].is_lost);
    check_view(&clients[0], 0);
}

DX_TEST(hb_14_a_slow_subscriber_gets_one_frame_for_many_changes)
{
    begin_all(2, nobody);
    want_all();
    const unsigned before = clients[2].wholes + clients[2].changes;
    for (uint64_t k = 0; k < 50; k++) {
        publisher_change(0, k);
        (void)dx_states_send(&states, NULL);
        for (int i = 0; i < 2; i++)
            while (move_all(i)) {}
    }
    DX_CHECK(clients[0].changes + clients[0].wholes >= 50);
    settle();
    all_have_everything();
    /* What its buffer took at first, and one frame for the rest. */
    DX_CHECK(clients[2].wholes + clients[2].changes - before < 30);
}

DX_TEST(hb_14_states_that_wait_for_the_same_room_all_get_it)
{
    begin_all(2, nobody);
    pipe_max = PIPE;
    for (size_t n = 0; n < STATES; n++) history[0][n][1].size = CONTENT - 3; /* only one fits at a time */
    want_all();
    all_have_everything();
    DX_CHECK_EQ(states.behind_count_, 0);
}

DX_TEST(hb_14_a_change_is_written_once_for_all_who_have_the_same)
{
    begin_all(2, nobody);
    want_all();
    publisher_change(0, 1);
    writes = 0;
    DX_CHECK_EQ(dx_states_send(&states, NULL), CLIENTS);
    DX_CHECK_EQ(writes, 1);
    DX_CHECK_EQ(dx_states_send(&states, NULL), 0);
    settle();
    all_have_everything();
}

static bool everybody(int i) { return i >= 0; }

DX_TEST(hb_14_sides_without_versions_are_served_as_ever)
{
    for (unsigned age = 0; age < 3; age++) {
        for (int old = 0; old < 2; old++) {
            if (age == 2 && !old) continue;
            begin_all(age, old ? everybody : nobody);
            want_all();
            for (uint64_t k = 0; k < 3; k++) publisher_change(0, k);
            (void)dx_states_send(&states, NULL);
            settle();
            all_have_everything();
            DX_CHECK(clients[0].view[0].version == 0 && clients[0].changes + clients[0].wholes == STATES + 1);
            reconnect(0); /* from the beginning */
            settle();
            all_have_everything();
            DX_CHECK_EQ(clients[0].changes + clients[0].wholes, 2 * STATES + 1);
        }
    }
}

DX_TEST(hb_14_a_subscription_that_cannot_be_is_refused)
{
    uint8_t frame[8 + 24] = {DX_HBTP_OP_STATE_SUBSCRIBE, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, 0};
    end *server = &ends[0][0];
    begin_all(2, nobody);
    settle();
    frame[8] = 100;
    for (uint8_t size = 0; size <= 24; size++) {
        frame[4] = size;
        DX_CHECK_EQ(status_of(server, frame, 8 + (size_t)size), size == 4 || size == 20 ? 0 : 400);
    }
    frame[0] = DX_HBTP_OP_STATE_UNSUBSCRIBE;
    frame[4] = 20;
    DX_CHECK_EQ(status_of(server, frame, 28), 400);
    frame[4] = 4;
    DX_CHECK_EQ(status_of(server, frame, 12), 0);
    DX_CHECK_EQ(status_of(server, frame, 12), 404); /* no longer subscribed */
    frame[8] = 99;
    DX_CHECK_EQ(status_of(server, frame, 12), 404);
    states.desc_.per_session_max = 2;
    frame[0] = DX_HBTP_OP_STATE_SUBSCRIBE;
    for (uint8_t n = 0; n < 3; n++) {
        frame[8] = (uint8_t)(100 + n);
        DX_CHECK_EQ(status_of(server, frame, 12), n < 2 ? 0 : 429);
    }
}

DX_TEST(hb_14_a_state_that_ends_and_a_session_that_leaves_have_no_subscriptions)
{
    begin_all(2, nobody);
    want_all();
    publisher_change(0, 1);
    publisher_change(1, 1);
    dx_states_end(&states, &state[0]);
    DX_CHECK_EQ(state[0].count, 0);
    dx_states_leave(&states, &ends[0][0].s);
    DX_CHECK_EQ(state[1].count, CLIENTS - 1);
    DX_CHECK_EQ(dx_states_send(&states, NULL), CLIENTS - 1);
    DX_CHECK_EQ(states.behind_count_, 0);
    for (int again = 0; again < 2; again++) { /* in place of the last change written */
        put_content(0, 2, again ? "of another history" : "of one");
        dx_states_end(&states, &state[0]);
        dx_states_begin(&state[0], 100, 1, 2);
        for (size_t n = 1; n < STATES; n++) clients[1].wants[n] = false;
        clients[1].view[0].version = 0;
        reconnect(1);
        settle();
        check_view(&clients[1], 0);
        DX_CHECK_EQ(clients[1].view[0].version, 2);
    }
    for (int i = 0; i < CLIENTS; i++) dx_hbtp_abort(&ends[0][i].s);
    for (size_t n = 0; n < STATES; n++) DX_CHECK_EQ(state[n].count, 0);
}

DX_TEST(hb_14_what_is_too_long_for_a_peer_waits_for_another_version)
{
    begin_all(2, nobody);
    clients[0].wants[0] = true;
    settle();
    DX_CHECK_EQ(dx_hbtp_out_set_payload_max(&ends[0][0].out, 256), 0);
    huge = 237; /* and a header of 20 bytes */
    dx_states_change(&states, &state[0]);
    DX_CHECK_EQ(dx_states_send(&states, NULL), 0);
    writes = 0;
    DX_CHECK_EQ(dx_states_send(&states, NULL), 0);
    DX_CHECK_EQ(writes, 0); /* it is not retried in vain */
    huge = 0;
    history[0][0][3].size = 5;
    dx_states_change(&states, &state[0]);
    DX_CHECK_EQ(dx_states_send(&states, NULL), 1);
    settle();
    all_have_everything();
}

DX_TEST(hb_14_descriptions_that_cannot_be_are_refused)
{
    dx_states st;
    dx_states_desc d = states.desc_;
    begin_all(2, nobody);
    for (int what = 0; what < 6; what++) {
        d = states.desc_;
        if (what == 0) d.memory = NULL;
        if (what == 1) d.memory = (uint8_t *)d.memory + 1;
        if (what == 2) d.memory_size = 40;
        if (what == 3) d.scratch_size = 31;
        if (what == 4) d.find = NULL;
        if (what == 5) d.write = NULL;
        DX_CHECK_EQ(dx_states_init(&st, &d), DX_STATES_EINVAL);
    }
    DX_CHECK_EQ(dx_states_init(NULL, &states.desc_), DX_STATES_EINVAL);
    DX_CHECK_EQ(dx_states_init(&st, NULL), DX_STATES_EINVAL);
    DX_CHECK_EQ(dx_states_watch(&clients[0].views, NULL, &ends[1][0].s), DX_STATES_EINVAL);
    DX_CHECK_STR(dx_states_error_name(DX_STATES_ECORRUPT), "DX_STATES_ECORRUPT");
    DX_CHECK_STR(dx_states_error_name(7), "unknown error");
}

/* >>subscriber --------------------------------------------------------- */
/* Send a frame for state 100 to a view with version 5 of epoch 1. True: it was applied. */
static bool takes(uint8_t opcode, size_t size, uint64_t first, uint64_t second)
{
    uint8_t frame[8 + 21] = {opcode, 0, 0, 0, (uint8_t)size, 0, 0, 0, 100, 0, 0, 0, (uint8_t)first, 0, 0, 0, 0, 0, 0, 0,
                             (uint8_t)second};
    dx_states_view *v = &clients[0].view[0];
    begin_all(2, nobody);
    settle();
    v->epoch = 1;
    v->version = 5;
    v->latest = 5;
    v->session_ = &ends[1][0].s;
    v->has_versions_ = true;
    v->next_ = NULL;
    clients[0].views.first_ = v;
    DX_CHECK_EQ(give(&ends[1][0], frame, 8 + size), 0);
    DX_CHECK_EQ(ends[1][0].s.counters.events[DX_HBTP_EVENT_FAILED], v->is_lost);
    if (v->is_lost) DX_CHECK_EQ(v->version, 5);
    return !v->is_lost;
}

DX_TEST(hb_14_a_frame_that_does_not_fit_is_refused_and_the_view_is_lost)
{
    const uint8_t sync = DX_HBTP_OP_STATE_SYNC, delta = DX_HBTP_OP_STATE_DELTA;
    DX_CHECK(takes(sync, 21, 1, 6) && takes(sync, 21, 1, 5) && takes(sync, 21, 2, 1) && takes(sync, 20, 1, 6));
    DX_CHECK(!takes(sync, 21, 1, 4));  /* its version would go back */
    DX_CHECK(!takes(sync, 21, 0, 6) && !takes(sync, 21, 2, 0) && !takes(sync, 19, 1, 6));
    DX_CHECK(takes(delta, 21, 5, 6) && takes(delta, 21, 5, 9));
    DX_CHECK(!takes(delta, 21, 4, 6)); /* of another base */
    DX_CHECK(!takes(delta, 21, 6, 7) && !takes(delta, 21, 5, 5) && !takes(delta, 21, 5, 4) && !takes(delta, 4, 5, 6));
}

DX_TEST(hb_14_a_view_that_is_lost_begins_again)
{
    for (unsigned age = 0; age < 3; age++) {
        begin_all(age, nobody);
        want_all();
        publisher_change(0, 1);
        (void)dx_states_send(&states, NULL);
        clients[0].refuses = true;
        while (move_all(0)) {}
        DX_CHECK(clients[0].view[0].is_lost && clients[0].view[0].version == 0);
        publisher_change(0, 2);
        (void)dx_states_send(&states, NULL); /* it no longer receives this */
        settle();
        all_have_everything();
        DX_CHECK(!clients[0].view[0].is_lost);
    }
}

DX_TEST(hb_14_a_refused_subscription_loses_the_view_and_a_forgotten_one_hears_nothing)
{
    dx_states_view other;
    begin_all(2, nobody);
    want_all();
    dx_states_view_init(&other, 7, apply, &clients[0]);
    DX_CHECK_EQ(dx_states_watch(&clients[0].views, &other, &ends[1][0].s), 0);
    settle();
    DX_CHECK(other.is_lost);
    dx_states_forget(&clients[0].views, &other);
    clients[0].wants[0] = false;
    dx_states_forget(&clients[0].views, &clients[0].view[0]);
    publisher_change(0, 1);
    const unsigned before = clients[0].wholes + clients[0].changes;
    (void)dx_states_send(&states, NULL);
    settle();
    DX_CHECK(clients[0].wholes + clients[0].changes == before && state[0].count == CLIENTS - 1);
    clients[0].wants[0] = true;
    settle();
    all_have_everything();
    DX_CHECK(clients[0].wholes + clients[0].changes == before + 1);
}

/* >>model -------------------------------------------------------------- */
static void trouble(int i)
{
    client *c = &clients[i];
    switch (dx_choose(choices, 7)) {
    case 0:
    case 1: reconnect(i); break;
    case 2: c->asleep = (unsigned)dx_choose(choices, 30); break;
    case 3: c->refuses = true; break;
    case 4:
        c->wants[dx_choose(choices, STATES - 1)] ^= true;
        for (size_t n = 0; n < STATES; n++)
            if (!c->wants[n]) dx_states_forget(&c->views, &c->view[n]);
        break;
    case 5:
        if (epoch >= EPOCHS || dx_choose(choices, 3)) break;
        publisher_start();
        for (int k = 0; k < CLIENTS; k++) reconnect(k);
        break;
    default: (void)dx_states_send(&states, NULL);
    }
}

DX_PROPERTY(hb_14_views_have_what_the_publisher_had, 4000)
{
    uint64_t steps;
    choices = c;
    begin_all((unsigned)dx_choose(c, 2), drawn_old);
    if (dx_choose(c, 1)) pipe_max = PIPE;
    for (int i = 0; i < CLIENTS; i++)
        for (size_t n = 0; n < STATES; n++) clients[i].wants[n] = dx_choose(c, 3) != 3;
    for (steps = dx_choose(c, 300); steps; steps--) {
        const int i = (int)dx_choose(c, CLIENTS - 1);
        end *server = &ends[0][i], *mine = &ends[1][i];
        switch (dx_choose(c, 9)) {
        case 0:
        case 1: publisher_change((size_t)dx_choose(c, STATES - 1), dx_choose(c, 1 << 20)); break;
        case 2: (void)dx_states_send(&states, dx_choose(c, 1) ? &server->s : NULL); break;
        case 3:
        case 4: (void)send_some(server, (size_t)dx_choose(c, PIPE)); break;
        case 5:
            if (clients[i].asleep) clients[i].asleep--;
            else (void)receive_some(mine, server, (size_t)dx_choose(c, PIPE));
            break;
        case 6: (void)send_some(mine, (size_t)dx_choose(c, PIPE)); break;
        case 7: (void)receive_some(server, mine, (size_t)dx_choose(c, PIPE)); break;
        case 8: watch(i); break;
        default: trouble(i);
        }
    }
    for (int i = 0; i < CLIENTS; i++) clients[i].refuses = false;
    (void)dx_states_send(&states, NULL); /* a subscriber without room is served by wake alone */
    settle();
    all_have_everything();
    DX_CHECK_EQ(states.behind_count_, 0);
}
