/* HBTP: a method for each query. See hbtp.h. */
#include "hbtp.h"

#include "text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_SIZE = 65536, /* of output; received frames are smaller */
    BLOCKS     = 512
};

/* A request that waits for the database. The requests of a link form a list, whose head is
   in the session. */
typedef struct dxdb_call {
    dxdb_request request; /* first: the callback gets its address */
    dxdb_hbtp   *hbtp;
    dx_link_id   link;
    uint16_t     sequence;
    struct dxdb_call *next;
    struct dxdb_call *prev;
    bool         is_inside; /* its handler runs, and sends the answer itself */
    uint16_t     status;    /* of an answer that waits for buffer space; 0: none */
    dxdb_text    kept;      /* a record, or a terminated text */
} dxdb_call;

/* A link, as its session sees it. */
typedef struct dxdb_peer {
    dxdb_call   *calls; /* the newest one */
    dxdb_subject subject;
} dxdb_peer;

static dxdb_peer *peer_of(const dx_hbtp_session *s) { return s->desc.user; }
static dxdb_call *first_of(const dx_hbtp_session *s) { return peer_of(s)->calls; }

static void end_call(dxdb_call *call, dx_hbtp_session *s)
{
    dxdb_results_forget(&call->request);
    if (call->prev) call->prev->next = call->next;
    else peer_of(s)->calls = call->next;
    if (call->next) call->next->prev = call->prev;
    dxdb_text_free(&call->kept);
    free(call);
}

/* >>answers ------------------------------------------------------------------------ */
static int count(dxdb_hbtp *h, uint16_t status)
{
    dxdb_metrics_count(h->results->metrics.hbtp, status);
    return status;
}

/* Send the answer. False: there is no space now. */
static bool reply(dxdb_call *call, dx_hbtp_session *s, uint16_t status, const void *bytes,
                  size_t size)
{
    int error = status == DXDB_OK ? dx_hbtp_reply(s, call->sequence, bytes, size)
                                  : dx_hbtp_reply_error(s, call->sequence, status, bytes);
    if (error == DX_HBTP_ETOOBIG) {
        status = DXDB_TOO_BIG;
        error = dx_hbtp_reply_error(s, call->sequence, status, "larger than you take");
    }
    if (error == DX_HBTP_ENOSPACE) return false;
    count(call->hbtp, status);
    return true;
}

static void on_answered(dxdb_request *request, const dxdb_result *result)
{
    dxdb_call *call = (dxdb_call *)(void *)request; /* its first field */
    dx_hbtp_session *s = dx_link_session(&call->hbtp->links, call->link);
    const bool good = result->status == DXDB_OK;
    const void *bytes = good ? (const void *)result->record : result->why;
    const size_t size = good ? result->record_size : strlen(result->why) + 1;
    assert(s);
    if (!call->is_inside && reply(call, s, result->status, bytes, size)) {
        end_call(call, s);
        return;
    }
    call->status = result->status;
    dxdb_text_put(&call->kept, bytes, size);
}

/* There is space again: send the pending answers, oldest first. */
static void on_writable(dx_link *l, dx_link_id id)
{
    dx_hbtp_session *s = dx_link_session(l, id);
    dxdb_call *call = s ? first_of(s) : NULL;
    while (call && call->next) call = call->next;
    while (call) {
        dxdb_call *newer = call->prev;
        if (call->status) {
            if (!reply(call, s, call->status, call->kept.bytes, call->kept.size)) return;
            end_call(call, s);
        }
        call = newer;
    }
}

/* >>requests ------------------------------------------------------------------------- */
/* Parse the arguments into terminated texts in `texts`. False: they are not in the format of hbtp.h. */
static bool parse(const dx_hbtp_context *c, uint32_t want, const char **values, char *texts,
                  size_t capacity)
{
    const uint8_t *p = c->payload;
    size_t left = c->payload_size;
    for (uint32_t i = 0; i < want; i++) {
        if (left < 4) return false;
        const uint32_t size = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                              (uint32_t)p[3] << 24;
        p += 4;
        left -= 4;
        values[i] = NULL;
        if (size == UINT32_MAX) continue;
        if (size > left || size >= capacity || memchr(p, 0, size)) return false;
        values[i] = memcpy(texts, p, size);
        texts[size] = 0;
        texts += size + 1;
        capacity -= size + 1;
        p += size;
        left -= size;
    }
    return left == 0;
}

static int on_query(const dx_hbtp_context *c)
{
    const dxdb_method *m = c->user;
    dxdb_hbtp *h = m->hbtp;
    const dxdb_query_config *q = &h->results->config->queries[m->query];
    const char *values[DXDB_PARAMETERS_MAX];
    char texts[DX_QUERIES_KEY_MAX + DXDB_PARAMETERS_MAX];
    dxdb_result result;
    if (!parse(c, q->parameter_count, values, texts, sizeof texts))
        return count(h, DXDB_BAD_REQUEST);
    if (dxdb_results_get(h->results, m->query, values, &result)) {
        const int error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, result.record,
                                                     result.record_size);
        dxdb_results_release(h->results);
        if (!error) count(h, DXDB_OK);
        return error;
    }
    dxdb_call *call = prog_alloc(sizeof *call);
    memset(call, 0, sizeof *call);
    call->request.answered = on_answered;
    call->hbtp = h;
    call->link = dx_link_id_of(c->session);
    call->sequence = c->frame->sequence;
    call->next = first_of(c->session);
    if (call->next) call->next->prev = call;
    peer_of(c->session)->calls = call;
    call->is_inside = true;
    dxdb_results_load(h->results, m->query, values, &call->request);
    call->is_inside = false;
    if (!call->status) return DX_HBTP_LATER;
    assert(call->status != DXDB_OK); /* results arrive from a connection, in a later iteration */
    const int error = dx_hbtp_write_rpc_error(c->out, c->frame->sequence, call->status,
                                              call->kept.bytes);
    if (!error) count(h, call->status);
    end_call(call, c->session);
    return error;
}

/* >>middleware, inlined by DX_HBTP_CHAIN: refuses a token that expired after the Hello, limits the
   rate of the subject, and measures handlers ------------------------------------------- */
static dxdb_hbtp *hbtp_of(const dx_hbtp_context *c)
{
    return ((const dxdb_method *)c->user)->hbtp;
}

static inline int auth_before(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = hbtp_of(c);
    const uint16_t status = dxdb_guard_check(h->guard, &peer_of(c->session)->subject);
    return status ? count(h, status) : 0;
}

static inline int auth_after(const dx_hbtp_context *c, int result)
{
    (void)c;
    return result;
}

static inline int rate_before(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = hbtp_of(c);
    dx_middleware_quota quota;
    const uint16_t status = dxdb_guard_spend(h->guard, &peer_of(c->session)->subject, c->now_ns,
                                             &quota);
    return status ? count(h, status) : 0;
}

static inline int rate_after(const dx_hbtp_context *c, int result)
{
    (void)c;
    return result;
}

DX_HBTP_CHAIN(guarded_query, on_query, auth, rate)

static int describe(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = hbtp_of(c);
    const int query = dxdb_config_find(h->results->config, (const char *)c->payload,
                                       c->payload_size);
    dxdb_text text = {0};
    int result;
    if (query < 0) return count(h, DXDB_NOT_FOUND);
    const uint16_t status = dxdb_results_describe(h->results, (uint32_t)query, &text);
    count(h, status);
    if (status == DXDB_OK) {
        result = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, text.bytes, text.size);
    } else {
        dxdb_text_put(&text, "", 1);
        result = dx_hbtp_write_rpc_error(c->out, c->frame->sequence, status, text.bytes);
    }
    dxdb_text_free(&text);
    return result;
}

DX_HBTP_CHAIN(guarded_describe, describe, auth, rate)

/* Authenticate the sender of a Hello. */
static int on_admit(void *user, dx_hbtp_session *session, const dx_hbtp_offer *offer)
{
    dxdb_hbtp *h = user;
    const dx_hbtp_text *token = &offer->who.token;
    return dxdb_guard_admit(h->guard, token->size ? token->bytes : NULL, token->size,
                            &peer_of(session)->subject);
}

/* The peer no longer waits for the answer. */
static void on_cancel(dx_hbtp_session *s, uint16_t sequence)
{
    dxdb_call *call = first_of(s);
    while (call && call->sequence != sequence) call = call->next;
    if (!call) return;
    (void)dx_hbtp_reply_error(s, sequence, DXDB_TIMEOUT, NULL);
    end_call(call, s);
}

static void on_opened(dx_link *l, dx_link_id id)
{
    dxdb_hbtp *h = l->desc.user;
    dxdb_peer *peer = prog_alloc(sizeof *peer);
    memset(peer, 0, sizeof *peer);
    dxdb_guard_name(h->guard, dx_link_fd(l, id), &peer->subject);
    dx_link_session(l, id)->desc.user = peer;
    h->results->metrics.hbtp_links++;
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    dxdb_hbtp *h = l->desc.user;
    dx_hbtp_session *s = dx_link_session(l, id);
    (void)reason;
    assert(s);
    while (first_of(s)) end_call(first_of(s), s);
    free(peer_of(s));
    s->desc.user = NULL;
    h->results->metrics.hbtp_links--;
}

int dxdb_hbtp_begin(dxdb_hbtp *h, dx_reactor *r, dxdb_results *results, dxdb_guard *guard,
                    int listening)
{
    static const char agent[] = "dxdb 0.3.0";
    const dxdb_config *config = results->config;
    dx_link_desc desc;
    memset(h, 0, sizeof *h);
    h->results = results;
    h->guard = guard;
    h->hello.admit = on_admit;
    h->hello.user = h;
    h->hello.who.agent.bytes = agent;
    h->hello.who.agent.size = sizeof agent - 1;
    dx_hbtp_router_init(&h->router);
    dx_hbtp_router_set(&h->router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &h->hello);
    h->describe.hbtp = h;
    dx_hbtp_router_set_method(&h->router, 0, guarded_describe, &h->describe);
    for (uint32_t i = 0; i < config->query_count; i++) {
        h->methods[i].hbtp = h;
        h->methods[i].query = i;
        dx_hbtp_router_set_method(&h->router, config->queries[i].method, guarded_query,
                                  &h->methods[i]);
    }
    memset(&desc, 0, sizeof desc);
    desc.links_max = config->connections;
    desc.block_size = BLOCK_SIZE;
    desc.block_count = BLOCKS;
    desc.out_size = config->result_max + 4096;
    desc.session.in_place = true;
    desc.session.payload_max = 16384;
    desc.session.router = &h->router;
    desc.session.on_cancel = on_cancel;
    desc.hello = &h->hello;
    desc.user = h;
    desc.opened = on_opened;
    desc.writable = on_writable;
    desc.closed = on_closed;
    desc.memory_size = dx_link_memory_size(&desc);
    h->memory = prog_alloc(desc.memory_size);
    desc.memory = h->memory;
    int error = dx_link_open(&h->links, r, &desc);
    if (!error) error = dx_link_listen(&h->links, listening);
    return error ? prog_fail(PROG_SYSTEM, "cannot start the HBTP server: %s",
                                          dx_link_error_name(error)) : PROG_OK;
}

void dxdb_hbtp_drain(dxdb_hbtp *h, uint64_t within_ns) { dx_link_drain(&h->links, within_ns); }
