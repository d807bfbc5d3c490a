/* Requests the objects that tree/missing.c reports, several requests ahead of the answers, on up to N
   lanes, each with its own connection:

       lack --> ask() --> request --> server --> FileChunks --> on_file_chunk() --> lack
                  |-----> request --> server --> FileChunks --------'
                  ...

   Objects that are compressed together take fewer bytes. So a request that is not full is sent only
   while few are outstanding, and a lane is opened only when a full request waits for it: the bytes on
   the wire do not depend on N.

   For a changed container a patch of the whole file is requested instead (net/whole.h), once all its
   lists are there:

       lack --> ask() --> request --> server --> reply: its size --> FileChunks --> handle_patch() --> lack
                                                 '-- 0: its chunks are requested

   Received objects are committed every COMMIT_BYTES, so a killed client requests at most that much
   again. Lost connections are reopened as long as each makes progress. A server that shuts down
   answers the requests that it has begun; the rest is requested from its successor. */
#include "sync.h"

#include "../versions/tree/missing.h"
#include "bundle.h"
#include "loop.h"
#include "question.h"
#include "silence.h"
#include "wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX     = 2 * 65536, /* of a frame; servers send half of it */
    LANES_MAX       = 16,        /* each may hold an answer of 1 MiB */
    OUT_SIZE        = 32768,     /* for requests and Pongs */
    COMMIT_BYTES    = 1 << 20,
    FAILURES_MAX    = 3,         /* connections in a row without progress */
    STALL_LIMIT_S   = 120,       /* for a server that answers Pings and sends nothing else */
    WHOLE_LIMIT_S   = 60,        /* for one that has not made a patch of a file: chunks are requested */
    WHOLE_LOSSES_MAX = 2,        /* connections: a server may fail because of the patch */
    WHOLES_AT_ONCE  = 2          /* such patches, because each is held in memory */
};

typedef struct lane {
    struct sync *sync;
    dx_link_id   id;       /* 0: none */
    bool         open;     /* accepts requests */
    unsigned     failures; /* connections of this lane in a row without progress */
    dxup_question asked[DXUP_ASKED_AT_ONCE]; /* in the order of their answers */
    unsigned     asked_count;
    uint64_t     moved_ns; /* when data last arrived, or the only request was sent */
    size_t       answer_size;
    uint8_t     *answer;   /* DXUP_BUNDLE_ANSWER_MAX bytes, allocated for the first connection */
} lane;

typedef struct sync {
    const dxup_sync_desc *d;
    dx_reactor        reactor;
    dx_op             timer_op;
    void             *reactor_memory, *links_memory;
    dx_link           links;
    dx_hbtp_router    router;
    versions_missing *lack;
    dxup_bundler     *bundler;
    bool              over;
    bool              drains;      /* the server of the last connection has announced its shutdown */
    int               status;      /* the first failure */
    unsigned          failures;    /* in a row without progress, with no other connection open */
    uint64_t          moved_ns;    /* when data last arrived */
    dxup_silence      silence;
    uint64_t          fresh;       /* bytes since the last commit */
    uint64_t          got;         /* bytes of objects in total */
    uint32_t          transfer;    /* number of the last request */
    dxup_question     next;        /* the request being filled */
    unsigned          wholes;      /* outstanding requests for patches of files */
    unsigned          whole_losses; /* connections that ended instead of answering one */
    bool              no_wholes;   /* no more of them: patches fail here, or take too long */
    unsigned          lane_count;
    lane              lanes[LANES_MAX];
} sync;

static void end(sync *s, int status)
{
    if (s->over) return;
    s->over = true;
    s->status = status;
    dx_reactor_stop(&s->reactor);
}

/* >>asking ------------------------------------------------------------- */
static dxup_asker asker_of(const sync *s)
{
    const dxup_asker a = {s->lack, s->d->store, s->bundler, s->d->name, s->d->patches,
                          s->d->lacking};
    return a;
}

/* Mark the objects of q as missing again. */
static void give_back(sync *s, dxup_question *q)
{
    if (q->is_whole) {
        container_drop(&q->patch);
        versions_missing_return_whole(s->lack, q->tickets[0], !s->no_wholes);
        return;
    }
    for (uint32_t i = q->request.want_count; i--;) versions_missing_return(s->lack, q->tickets[i]);
}

static size_t write_whole(const sync *s, uint8_t *bytes)
{
    const dxup_question *q = &s->next;
    const dxup_whole_request r = {.old = q->whole.old, .file = q->whole.file,
                                  .limit = q->whole.lacking, .transfer = q->request.transfer,
                                  .kinds = container_kinds(), .size_only = s->d->lacking != NULL};
    return dxup_whole_write_request(&r, bytes);
}

/* Send s->next on a lane. A lane whose session has ended (on_closed() follows) takes nothing: mark
   it as closed, and the caller looks for another. */
static int send_request(sync *s, lane *l)
{
    uint8_t bytes[DXUP_BUNDLE_REQUEST_MAX];
    assert(l->open && l->asked_count < DXUP_ASKED_AT_ONCE);
    const bool whole = s->next.is_whole;
    s->next.request.transfer = ++s->transfer;
    size_t size = whole ? write_whole(s, bytes) : dxup_bundle_write_request(&s->next.request, bytes);
    int error = dx_hbtp_call(dx_link_session(&s->links, l->id),
                             whole ? DXUP_RPC_WHOLE : DXUP_RPC_OBJECTS, bytes, size, UINT64_MAX,
                             (void *)(uintptr_t)s->transfer, NULL);
    if (!error && !l->asked_count) l->moved_ns = dx_reactor_now_ns(&s->reactor);
    if (!error && whole) s->wholes++;
    if (error) give_back(s, &s->next);
    else l->asked[l->asked_count++] = s->next;
    if (error == DX_HBTP_ECANCELED) l->open = false;
    if (!error || error == DX_HBTP_ECANCELED) return PROG_OK;
    return prog_fail(PROG_NETWORK, "%s: %s", s->d->address_text, dxup_protocol_text(error));
}

/* The state of all lanes. */
typedef struct lanes_state {
    unsigned asked, open, connecting;
    lane    *free;   /* the one with the fewest requests that accepts another; NULL: none */
    lane    *unused; /* one without connection or failure; NULL: none */
} lanes_state;

static lanes_state poll_lanes(sync *s)
{
    lanes_state now = {0};
    for (unsigned i = s->lane_count; i--;) {
        lane *l = &s->lanes[i];
        now.asked += l->asked_count;
        now.open += l->open;
        now.connecting += l->id && !l->open;
        if (!l->id && !l->failures) now.unused = l;
        if (l->open && l->asked_count < DXUP_ASKED_AT_ONCE &&
            (!now.free || l->asked_count <= now.free->asked_count))
            now.free = l;
    }
    return now;
}

static void connect_once(lane *l);

/* A full request found no free lane: double the lanes, as far as there are unused ones. */
static void open_lanes(sync *s, unsigned count)
{
    while (count-- && poll_lanes(s).unused) connect_once(poll_lanes(s).unused);
}

/* Request the chunks of the files that were chosen before. */
static void let_wholes_go(sync *s)
{
    versions_missing_whole whole;
    uint32_t ticket;
    while (versions_missing_next_whole(s->lack, &whole, &ticket))
        versions_missing_return_whole(s->lack, ticket, false);
}

static void ask(sync *s)
{
    const dxup_asker asker = asker_of(s);
    bool none = false, full;
    while (!s->over && !none) {
        const lanes_state now = poll_lanes(s);
        if (!now.open || (!now.free && (!now.unused || now.connecting))) break;
        if (s->no_wholes) let_wholes_go(s);
        const bool wholes = now.free && s->wholes < WHOLES_AT_ONCE;
        if (wholes && dxup_question_fill_whole(&asker, &s->next)) {
            const int failed = send_request(s, now.free);
            if (failed) end(s, failed);
            continue;
        }
        int status = dxup_question_fill(&asker, &s->next, &none, &full);
        if (!status && none && wholes) none = !versions_missing_has_whole(s->lack);
        if (!status && !s->next.request.want_count) continue;
        if (!status && ((!full && now.asked >= DXUP_ASKED_AT_ONCE) || !now.free)) {
            give_back(s, &s->next);
            if (full) open_lanes(s, now.open);
            break;
        }
        if (!status) status = send_request(s, now.free);
        if (status) end(s, status);
    }
    if (!s->over && versions_missing_is_done(s->lack)) end(s, PROG_OK);
}

/* >>answers ------------------------------------------------------------ */
/* Mark the objects of question k as missing again. */
static void return_tickets(lane *l, unsigned k)
{
    assert(k < l->asked_count);
    if (l->asked[k].is_whole) l->sync->wholes--;
    give_back(l->sync, &l->asked[k]);
    memmove(l->asked + k, l->asked + k + 1, (--l->asked_count - k) * sizeof *l->asked);
}

static void count_whole_loss(sync *s)
{
    if (++s->whole_losses == WHOLE_LOSSES_MAX) s->no_wholes = true;
}

/* No answers come on this lane: mark the objects of all its requests as missing again. */
static void give_up(lane *l)
{
    l->open = false;
    l->answer_size = 0;
    if (l->asked_count && l->asked[0].is_whole) count_whole_loss(l->sync);
    while (l->asked_count) return_tickets(l, l->asked_count - 1);
}

/* Send no more requests on this connection. Once all answers have arrived, another one replaces it. */
static void leave(lane *l)
{
    l->open = false;
    if (!l->asked_count && l->id) (void)dx_link_abort(&l->sync->links, l->id);
}

/* Handle a complete answer. */
static int handle_answer(lane *l)
{
    dxup_bundle b;
    sync *s = l->sync;
    dxup_question *q = &l->asked[0];
    const dxup_asker asker = asker_of(s);
    int status = PROG_OK;
    if (!q->request.size_only)
        status = dxup_bundle_open(s->bundler, s->d->store, &q->request, l->answer, l->answer_size, &b);
    else if (!dxup_question_count(&asker, q, l->answer, l->answer_size))
        status = prog_fail(PROG_DAMAGED, "the server's reply for the size of an answer is malformed");
    if (!status && !q->request.size_only)
        status = dxup_question_add(&asker, q, &b, &s->got, s->d->fresh);
    s->fresh += l->answer_size;
    l->answer_size = 0;
    l->failures = s->failures = 0;
    memmove(l->asked, l->asked + 1, --l->asked_count * sizeof *l->asked);
    if (!status && s->fresh >= COMMIT_BYTES) {
        status = versions_store_commit(s->d->store);
        s->fresh = 0;
    }
    prog_progress(s->d->name, s->got, 0, false);
    return status;
}

/* Drop question k, whose answer is complete. */
static void drop_asked(lane *l, unsigned k)
{
    assert(k < l->asked_count);
    if (l->asked[k].is_whole) l->sync->wholes--;
    memmove(l->asked + k, l->asked + k + 1, (--l->asked_count - k) * sizeof *l->asked);
}

/* Handle the reply to the request for a patch: its size. */
static int handle_size(lane *l, unsigned k, const dx_hbtp_result *r)
{
    sync *s = l->sync;
    dxup_question *q = &l->asked[k];
    uint64_t size;
    if (q->announced || !dxup_whole_read_reply(r->payload, r->payload_size, &size) ||
        size >= q->whole.lacking)
        return prog_fail(PROG_DAMAGED, "the server's reply for a patch of a file is malformed");
    l->moved_ns = s->moved_ns = dx_reactor_now_ns(&s->reactor);
    q->announced = true;
    q->patch.max = (size_t)size;
    if (size && !s->d->lacking) return PROG_OK; /* its chunks follow */
    if (s->d->lacking && s->d->lacking->sizes)
        s->d->lacking->bytes += dxup_question_whole_cost((size_t)size) - size;
    if (size) {
        s->d->lacking->bytes += size;
        versions_missing_skip_whole(s->lack, q->tickets[0]);
    } else {
        versions_missing_return_whole(s->lack, q->tickets[0], false);
    }
    drop_asked(l, k);
    l->failures = s->failures = 0;
    return PROG_OK;
}

/* Handle a complete patch of a file. */
static int handle_patch(lane *l)
{
    sync *s = l->sync;
    bool cannot;
    const dxup_asker asker = asker_of(s);
    const uint64_t lacking = l->asked[0].whole.lacking;
    int status = dxup_question_add_whole(&asker, &l->asked[0], &s->got, &cannot);
    s->no_wholes |= cannot;
    s->fresh += lacking;
    drop_asked(l, 0);
    l->failures = s->failures = 0;
    if (!status && s->fresh >= COMMIT_BYTES) {
        status = versions_store_commit(s->d->store);
        s->fresh = 0;
    }
    l->moved_ns = s->moved_ns = dx_reactor_now_ns(&s->reactor); /* applying takes time */
    prog_progress(s->d->name, s->got, 0, false);
    return status;
}

/* A chunk of a patch of a file, which is held in memory: never more than was announced. */
static int add_patch_chunk(lane *l, const dx_hbtp_file_chunk *chunk)
{
    dxup_question *q = &l->asked[0];
    container_bytes *p = &q->patch;
    if (!q->announced || chunk->transfer != q->request.transfer || chunk->offset != p->size ||
        !chunk->data_size || chunk->data_size > p->max - p->size ||
        chunk->final != (chunk->data_size == p->max - p->size))
        return prog_fail(PROG_DAMAGED, "the server sent a bad chunk: it is not of the patch that it "
                                       "announced");
    if (!container_add(p, chunk->data, chunk->data_size))
        return prog_fail(PROG_SYSTEM, "the server's patch of %llu bytes does not fit into memory",
                         (unsigned long long)p->max);
    dxup_rate_use(l->sync->d->rate, chunk->data_size);
    l->moved_ns = l->sync->moved_ns = dx_reactor_now_ns(&l->sync->reactor);
    return chunk->final ? handle_patch(l) : PROG_OK;
}

static void go_on(lane *l, int status)
{
    sync *s = l->sync;
    if (status) end(s, status);
    else ask(s);
    if (!s->over && !l->open) leave(l);
}

static int on_file_chunk(const dx_hbtp_context *context)
{
    lane *l = context->session->desc.user;
    sync *s = l->sync;
    dx_hbtp_file_chunk chunk;
    if (s->over) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    if (!error && l->asked_count && l->asked[0].is_whole) {
        const int status = add_patch_chunk(l, &chunk);
        if (status || chunk.final) go_on(l, status);
        return 0;
    }
    if (error || !l->asked_count || chunk.transfer != l->asked[0].request.transfer ||
        chunk.offset != l->answer_size || !chunk.data_size ||
        chunk.data_size > DXUP_BUNDLE_ANSWER_MAX - l->answer_size) {
        end(s, prog_fail(PROG_DAMAGED, "the server sent a bad chunk: %s",
                         error ? dxup_protocol_text(error) : "it was not asked for"));
        return 0;
    }
    memcpy(l->answer + l->answer_size, chunk.data, chunk.data_size);
    l->answer_size += chunk.data_size;
    dxup_rate_use(s->d->rate, chunk.data_size);
    l->moved_ns = s->moved_ns = dx_reactor_now_ns(&s->reactor);
    if (chunk.final) go_on(l, handle_answer(l));
    return 0;
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    lane *l = session->desc.user;
    sync *s = l->sync;
    unsigned k = 0;
    if (s->over || r->error == DX_HBTP_ECANCELED) return;
    while (k < l->asked_count && l->asked[k].request.transfer != (uintptr_t)r->user) k++;
    if (!r->error) {
        if (k == l->asked_count || !l->asked[k].is_whole) return;
        const int status = handle_size(l, k, r);
        if (status || !l->asked_count || !l->asked[k].is_whole || !l->asked[k].announced) go_on(l, status);
        return;
    }
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_UNAVAILABLE) {
        /* it shuts down or is overloaded: reconnect after a second */
        if (k < l->asked_count && l->asked[k].is_whole) count_whole_loss(s);
        if (k < l->asked_count) return_tickets(l, k);
        leave(l);
        return;
    }
    end(s, prog_fail(PROG_NETWORK, "the server refused a request: status %u", r->status));
}

static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    lane *l = session->desc.user;
    (void)frame;
    if (l->sync->over) return;
    if (event == DX_HBTP_EVENT_CLOSED) { /* do not wait until its connection has closed */
        give_up(l);
        ask(l->sync);
    } else if (event == DX_HBTP_EVENT_DRAIN) {
        l->sync->drains = true;
        leave(l);
    }
}

/* >>connection --------------------------------------------------------- */
/* A connection made no progress, or could not be made. */
static void count_failure(lane *l)
{
    const lanes_state now = poll_lanes(l->sync);
    l->failures++;
    if (!now.open && !now.connecting) l->sync->failures++;
}

static void connect_once(lane *l)
{
    sync *s = l->sync;
    assert(!l->id && !l->asked_count);
    if (!l->answer) l->answer = prog_alloc(DXUP_BUNDLE_ANSWER_MAX);
    if (!dx_link_connect(&s->links, s->d->address, &l->id)) {
        dx_link_session(&s->links, l->id)->desc.user = l;
        return;
    }
    l->id = 0;
    count_failure(l);
}

static void lose(lane *l)
{
    l->id = 0;
    give_up(l);
    count_failure(l);
}

static void on_opened(dx_link *links, dx_link_id id)
{
    lane *l = dx_link_session(links, id)->desc.user;
    sync *s = l->sync;
    l->open = true;
    dxup_rate_begin(s->d->rate, dx_link_fd(links, id));
    s->drains = false;
    s->moved_ns = dx_reactor_now_ns(&s->reactor);
    ask(s);
}

static void on_closed(dx_link *links, dx_link_id id, int32_t reason)
{
    lane *l = dx_link_session(links, id)->desc.user;
    (void)reason;
    if (l->sync->over) return;
    lose(l);
    ask(l->sync);
}

/* Reopen the first lane as long as any makes progress, the others only a few times. */
static void connect_again(sync *s)
{
    for (unsigned i = 0; i < s->lane_count && s->failures < FAILURES_MAX; i++) {
        lane *l = &s->lanes[i];
        if (!l->id && (!i || (l->failures && l->failures < FAILURES_MAX))) connect_once(l);
    }
}

/* A server can make no patch of a file in time, such as one with many clients: request no more. */
static void give_up_wholes(sync *s)
{
    const uint64_t now_ns = dx_reactor_now_ns(&s->reactor);
    for (unsigned i = 0; i < s->lane_count; i++) {
        lane *l = &s->lanes[i];
        if (!l->asked_count || !l->asked[0].is_whole || l->asked[0].announced ||
            now_ns - l->moved_ns < (uint64_t)WHOLE_LIMIT_S * 1000000000)
            continue;
        s->no_wholes = true;
        give_up(l);
        if (l->id) (void)dx_link_abort(&s->links, l->id);
    }
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    sync *s = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0 || s->over) return;
    if (dxup_silence_tick(&s->silence, s->links.received)) {
        end(s, dxup_silence_fail(s->d->address_text, s->d->timeout_s, "it resumes here"));
        return;
    }
    give_up_wholes(s);
    connect_again(s);
    const lanes_state now = poll_lanes(s);
    if (!now.open && !now.connecting && s->failures >= FAILURES_MAX)
        end(s, prog_fail(PROG_NETWORK, "%s: %s; the next pull resumes here", s->d->address_text,
                         s->drains ? "the server is shutting down" : "the connection was lost"));
    else if (dx_reactor_now_ns(r) - s->moved_ns > (uint64_t)STALL_LIMIT_S * 1000000000)
        end(s, prog_fail(PROG_NETWORK, "the server stopped sending"));
    else dx_reactor_timer(r, op, 1000000000);
}

static int open_links(sync *s)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&s->router);
    dx_hbtp_router_set(&s->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL);
    desc.links_max = 2 * s->lane_count; /* as many may still be closing */
    desc.out_size = OUT_SIZE;
    desc.block_count = 2 * DXUP_INPUT_BLOCKS * s->lane_count;
    desc.session.router = &s->router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.user = &s->lanes[0];
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = DXUP_ASKED_AT_ONCE + 1; /* and the Hello */
    desc.session.pending_max = 1;
    desc.session.keepalive_ns = dxup_silence_ping_ns(s->d->timeout_s);
    desc.opened = on_opened;
    desc.closed = on_closed;
    desc.user = s;
    return dxup_links_open(&s->links, &s->reactor, &desc, &s->links_memory);
}

/* Is a patch of this file worth a request? */
static bool choose(void *user, const versions_missing_whole *w)
{
    const sync *s = user;
    return !s->no_wholes && dxup_whole_is_container(s->d->store, w);
}

static int run(sync *s)
{
    dx_reactor_desc desc = {0};
    desc.pending_max = 64 * s->lane_count;
    desc.descriptors_max = 16 * s->lane_count;
    desc.queue_entries = 8;
    desc.buffer_count = DXUP_INPUT_BUFFERS;
    desc.buffer_size = DXUP_INPUT_SIZE;
    int status = dxup_loop_open(&s->reactor, &desc, s->d->backend, &s->reactor_memory);
    if (status) return status;
    dx_reactor_op_init(&s->timer_op, on_timer, s);
    status = open_links(s);
    if (!status) {
        s->moved_ns = dx_reactor_now_ns(&s->reactor);
        connect_once(&s->lanes[0]);
        dx_reactor_timer(&s->reactor, &s->timer_op, 1000000000);
        int error = dx_reactor_run(&s->reactor);
        if (error)
            status = prog_fail(PROG_SYSTEM, "the event loop failed: %s", dx_reactor_error_name(error));
    }
    s->over = true;
    dx_reactor_close(&s->reactor);
    *s->d->sent += s->links.sent;
    *s->d->received += s->links.received;
    return status ? status : s->status;
}

int dxup_sync_fetch(const dxup_sync_desc *desc)
{
    sync *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->d = desc;
    s->silence.limit_s = desc->timeout_s;
    s->lane_count = desc->connections > LANES_MAX ? LANES_MAX : desc->connections;
    if (!s->lane_count) s->lane_count = 1;
    for (unsigned i = 0; i < s->lane_count; i++) s->lanes[i].sync = s;
    s->lack = desc->file
                  ? versions_missing_open_file(desc->store, desc->file)
                  : versions_missing_open(desc->store, desc->root, desc->old, desc->limits);
    s->bundler = dxup_bundler_open();
    if (desc->wholes && !desc->file)
        versions_missing_choose(s->lack, choose, s, DXUP_WHOLE_FROM);
    int status = run(s);
    prog_progress(NULL, 0, 0, true);
    int kept = versions_store_commit(desc->store);
    versions_missing_close(s->lack);
    dxup_bundler_close(s->bundler);
    for (unsigned i = 0; i < s->lane_count; i++) {
        lane *l = &s->lanes[i];
        for (unsigned k = 0; k < l->asked_count; k++)
            if (l->asked[k].is_whole) container_drop(&l->asked[k].patch);
        free(l->answer);
    }
    free(s->links_memory);
    free(s->reactor_memory);
    free(s);
    return status ? status : kept;
}
