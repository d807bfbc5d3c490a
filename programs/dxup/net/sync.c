/* Asks for what tree/missing.c hands out, some requests ahead of the answers, on one connection:

       lack --> ask() --> request --> server --> FileChunks --> on_file_chunk() --> lack

   What has come is committed every COMMIT_BYTES, so whoever is killed asks for no more than that
   again. A connection that is lost is opened again, as long as each brings something. A server that
   says that it ends answers what it has begun; the rest is asked of the one in its place. */
#include "sync.h"

#include "../../versions/tree/missing.h"
#include "bundle.h"
#include "loop.h"
#include "question.h"
#include "ranges.h"
#include "wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX     = 2 * 65536, /* of a frame; servers send half of it */
    OUT_SIZE        = 32768,     /* so many requests, and Pongs */
    COMMIT_BYTES    = 1 << 20,
    FAILURES_MAX    = 3,         /* connections in a row that brought nothing */
    SILENCE_LIMIT_S = 60,
    STALL_LIMIT_S   = 120        /* a server that answers Pings and sends nothing */
};

typedef struct sync {
    const dxup_sync_desc *d;
    dx_reactor        reactor;
    dx_op             timer_op;
    void             *reactor_memory, *links_memory;
    dx_link           links;
    dx_link_id        id;
    dx_hbtp_router    router;
    versions_missing *lack;
    dxup_bundler     *bundler;
    bool              open;  /* more may be asked on this connection */
    bool              over;
    bool              drains;      /* the server of the last connection has said that it ends */
    int               status;      /* the first failure */
    unsigned          failures;    /* connections in a row that brought nothing */
    uint64_t          moved_ns;    /* when the last bytes came */
    uint64_t          fresh;       /* bytes since the last commit */
    uint64_t          got;         /* bytes of objects in all */
    uint32_t          transfer;    /* number of the last request */
    dxup_question     asked[DXUP_ASKED_AT_ONCE]; /* in the order of their answers */
    unsigned          asked_count;
    size_t            answer_size;
    uint8_t           answer[DXUP_BUNDLE_ANSWER_MAX];
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

static void ask(sync *s)
{
    uint8_t bytes[DXUP_BUNDLE_REQUEST_MAX];
    bool none = false;
    while (s->open && !s->over && !none && s->asked_count < DXUP_ASKED_AT_ONCE) {
        dxup_question *q = &s->asked[s->asked_count];
        const dxup_asker asker = asker_of(s);
        int status = dxup_question_fill(&asker, q, ++s->transfer, &none);
        if (!status && none) break;
        if (!status) {
            s->asked_count++;
            size_t size = dxup_bundle_write_request(&q->request, bytes);
            int error = dx_hbtp_call(dx_link_session(&s->links, s->id), DXUP_RPC_OBJECTS, bytes,
                                     size, UINT64_MAX, (void *)(uintptr_t)s->transfer, NULL);
            if (error) status = prog_fail(PROG_NETWORK, "%s: %s", s->d->address_text,
                                               dxup_protocol_text(error));
        }
        if (status) end(s, status);
    }
    if (!s->over && versions_missing_is_done(s->lack)) end(s, PROG_OK);
}

/* >>answers ------------------------------------------------------------ */
/* What question k asked for is lacking again. */
static void return_tickets(sync *s, unsigned k)
{
    const dxup_question *q = &s->asked[k];
    assert(k < s->asked_count);
    for (uint32_t i = q->request.want_count; i--;) versions_missing_return(s->lack, q->tickets[i]);
    memmove(s->asked + k, s->asked + k + 1, (--s->asked_count - k) * sizeof *s->asked);
}

/* Nothing more is asked here: when all answers have come, another connection takes its place. */
static void leave(sync *s)
{
    s->open = false;
    if (!s->asked_count && s->id) (void)dx_link_abort(&s->links, s->id);
}

/* An answer is complete. */
static int take_answer(sync *s)
{
    dxup_bundle b;
    dxup_question *q = &s->asked[0];
    const dxup_asker asker = asker_of(s);
    int status = dxup_bundle_open(s->bundler, s->d->store, &q->request, s->answer, s->answer_size,
                                  &b);
    if (!status) status = dxup_question_take(&asker, q, &b, &s->got, s->d->fresh);
    s->fresh += s->answer_size;
    s->answer_size = 0;
    s->failures = 0;
    memmove(s->asked, s->asked + 1, --s->asked_count * sizeof *s->asked);
    if (!status && s->fresh >= COMMIT_BYTES) {
        status = versions_store_commit(s->d->store);
        s->fresh = 0;
    }
    prog_progress(s->d->name, s->got, 0, false);
    return status;
}

static int on_file_chunk(const dx_hbtp_context *context)
{
    sync *s = context->session->desc.user;
    dx_hbtp_file_chunk chunk;
    if (s->over) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    if (error || !s->asked_count || chunk.transfer != s->asked[0].request.transfer ||
        chunk.offset != s->answer_size || !chunk.data_size ||
        chunk.data_size > sizeof s->answer - s->answer_size) {
        end(s, prog_fail(PROG_DAMAGED, "a chunk of the transfer is wrong: %s",
                         error ? dxup_protocol_text(error) : "it was not asked for"));
        return 0;
    }
    memcpy(s->answer + s->answer_size, chunk.data, chunk.data_size);
    s->answer_size += chunk.data_size;
    dxup_rate_take(s->d->rate, chunk.data_size);
    s->moved_ns = dx_reactor_now_ns(&s->reactor);
    if (!chunk.final) return 0;
    int status = take_answer(s);
    if (status) end(s, status);
    else ask(s);
    if (!s->over && !s->open) leave(s);
    return 0;
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    sync *s = session->desc.user;
    if (s->over || !r->error || r->error == DX_HBTP_ECANCELED) return;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_UNAVAILABLE) {
        unsigned k = 0; /* it ends, or has too much to do: a second later */
        while (k < s->asked_count && s->asked[k].request.transfer != (uintptr_t)r->user) k++;
        if (k < s->asked_count) return_tickets(s, k);
        leave(s);
        return;
    }
    end(s, prog_fail(PROG_NETWORK, "the server refused a request: %u", r->status));
}

static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    sync *s = session->desc.user;
    (void)frame;
    if (s->over || event != DX_HBTP_EVENT_DRAIN) return;
    s->drains = true;
    leave(s);
}

/* >>connection --------------------------------------------------------- */
static void connect_once(sync *s)
{
    if (!dx_link_connect(&s->links, s->d->address, &s->id)) {
        dx_link_session(&s->links, s->id)->desc.user = s;
        return;
    }
    s->id = 0;
    s->failures++;
}

/* What was asked for has not come, and is lacking again. */
static void lose(sync *s)
{
    s->open = false;
    s->answer_size = 0;
    s->failures++;
    while (s->asked_count) return_tickets(s, s->asked_count - 1);
}

static void on_opened(dx_link *l, dx_link_id id)
{
    sync *s = dx_link_session(l, id)->desc.user;
    s->open = true;
    s->drains = false;
    dxup_rate_begin(s->d->rate, dx_link_fd(l, id));
    s->moved_ns = dx_reactor_now_ns(&s->reactor);
    ask(s);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    sync *s = dx_link_session(l, id)->desc.user;
    (void)reason;
    if (s->over) return;
    s->id = 0;
    lose(s);
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    sync *s = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0 || s->over) return;
    if (!s->id && s->failures < FAILURES_MAX) connect_once(s);
    if (!s->id && s->failures >= FAILURES_MAX)
        end(s, prog_fail(PROG_NETWORK, "%s: %s; the next pull goes on from here", s->d->address_text,
                         s->drains ? "the server ends" : "the connection was lost"));
    else if (dx_reactor_now_ns(r) - s->moved_ns > (uint64_t)STALL_LIMIT_S * 1000000000)
        end(s, prog_fail(PROG_NETWORK, "the server sent no more content"));
    else dx_reactor_timer(r, op, 1000000000);
}

static int open_links(sync *s)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&s->router);
    dx_hbtp_router_set(&s->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL);
    desc.links_max = 2; /* one may still be closing */
    desc.out_size = OUT_SIZE;
    desc.block_count = 2 * DXUP_INPUT_BLOCKS;
    desc.session.router = &s->router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.user = s;
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = DXUP_ASKED_AT_ONCE + 1; /* and Hello */
    desc.session.pending_max = 1;
    desc.session.keepalive_ns = (uint64_t)SILENCE_LIMIT_S / 2 * 1000000000;
    desc.opened = on_opened;
    desc.closed = on_closed;
    desc.user = s;
    return dxup_links_open(&s->links, &s->reactor, &desc, &s->links_memory);
}

static int run(sync *s)
{
    dx_reactor_desc desc = {0};
    desc.pending_max = 64;
    desc.descriptors_max = 16;
    desc.queue_entries = 8;
    desc.buffer_count = DXUP_INPUT_BUFFERS;
    desc.buffer_size = DXUP_INPUT_SIZE;
    int status = dxup_loop_open(&s->reactor, &desc, s->d->backend, &s->reactor_memory);
    if (status) return status;
    dx_reactor_op_init(&s->timer_op, on_timer, s);
    status = open_links(s);
    if (!status) {
        s->moved_ns = dx_reactor_now_ns(&s->reactor);
        connect_once(s);
        dx_reactor_timer(&s->reactor, &s->timer_op, 1000000000);
        int error = dx_reactor_run(&s->reactor);
        if (error)
            status = prog_fail(PROG_SYSTEM, "the event loop: %s", dx_reactor_error_name(error));
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
    s->lack = desc->file
                  ? versions_missing_open_file(desc->store, desc->file)
                  : versions_missing_open(desc->store, desc->root, desc->old, desc->limits);
    s->bundler = dxup_bundler_open();
    int status = run(s);
    prog_progress(NULL, 0, 0, true);
    int kept = versions_store_commit(desc->store);
    versions_missing_close(s->lack);
    dxup_bundler_close(s->bundler);
    free(s->links_memory);
    free(s->reactor_memory);
    free(s);
    return status ? status : kept;
}
