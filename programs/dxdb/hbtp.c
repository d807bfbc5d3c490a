/* HBTP: a method for each query. See hbtp.h. */
#include "hbtp.h"

#include "text.h"

#include <assert.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    BLOCK_SIZE = 65536, /* of output; received frames are smaller */
    BLOCKS     = 512,   /* and one for each connection: a change may go to all of them at once */
    TICK_MS    = 250,   /* between looks at clients that do not read */
    KEPT_MAX   = 64 << 20 /* bytes of answers that wait for space, see may_keep() */
};

/* An answer that waits for space. All who wait for the same one share it. */
typedef struct dxdb_kept {
    uint32_t users;
    size_t   size;
    uint8_t  bytes[];
} dxdb_kept;

/* A request that waits for the database. The requests of a link form a list, whose head is
   in the session. */
typedef struct dxdb_call {
    dxdb_hbtp   *hbtp;
    dx_link_id   link;
    uint16_t     sequence;
    struct dxdb_call *next;
    struct dxdb_call *prev;
    bool         is_inside; /* its handler runs, and sends the answer itself */
    uint16_t     status;    /* of an answer that waits for buffer space; 0: none */
    dxdb_kept   *kept;      /* then: a record, or a terminated text */

    dxdb_request request;   /* what it waits for: one of these */
    dxdb_writing writing;
    dxdb_watch   watch;
    dxdb_wait    wait;      /* then for the request */
    uint32_t     query;
    uint64_t     epoch;     /* of a watch */
    bool         has_record;
    uint8_t      checksum[16];
    const char  *values[DXDB_PARAMETERS_MAX]; /* while it waits for a position */
    char         texts[];
} dxdb_call;

#define TEXT_OF_NUMBER(number) #number
#define TEXT_OF(macro) TEXT_OF_NUMBER(macro)
#define CALL_OF(pointer, field) \
    ((dxdb_call *)(void *)((char *)(pointer) - offsetof(dxdb_call, field)))

/* A link, as its session sees it. */
typedef struct dxdb_peer {
    dxdb_call   *calls; /* the newest one */
    dxdb_subject subject;
    bool         has_asked;  /* something, since it was opened, */
    uint64_t     opened_ns;  /* at this time */
    bool         subscribes; /* it has asked for a followed result */
    bool         is_ended;   /* it was told that it does not read */
    dx_link_id   link;
    struct dxdb_peer *next;
    struct dxdb_peer *prev;
    uint64_t     kept_bytes; /* of its answers that wait for space, equal ones once */
    size_t       unsent;   /* bytes of output at the last tick: in the session, */
    int          unread;   /* and in the system, that the peer has not acknowledged */
    uint64_t     stuck_ms; /* both are the same for this time */
} dxdb_peer;

static dxdb_peer *peer_of(const dx_hbtp_session *s) { return s->desc.user; }
static dxdb_call *first_of(const dx_hbtp_session *s) { return peer_of(s)->calls; }

static dxdb_kept *keep(dxdb_hbtp *h, const void *bytes, size_t size)
{
    dxdb_kept *kept = h->newest;
    if (!kept || kept->size != size || memcmp(kept->bytes, bytes, size) != 0) {
        kept = prog_alloc(sizeof *kept + size);
        kept->users = 0;
        kept->size = size;
        memcpy(kept->bytes, bytes, size);
        h->newest = kept;
        h->results->metrics.kept_bytes += size;
    }
    kept->users++;
    return kept;
}

/* Is there room to keep these bytes? An answer of an error is small, and always kept; so is the only one
   of all clients, however large. Others have a share that depends on what is free: a client may have no
   more than what all together leave free. So one that does not read takes half, two take two thirds,
   and something is left for those who read, however many these are. */
static bool may_keep(const dxdb_hbtp *h, const dxdb_peer *peer, const void *bytes, size_t size)
{
    const uint64_t kept_bytes = h->results->metrics.kept_bytes;
    if (h->newest && h->newest->size == size && !memcmp(h->newest->bytes, bytes, size)) return true;
    return !kept_bytes || kept_bytes + peer->kept_bytes + size <= KEPT_MAX;
}

/* Does a call of this client hold it? */
static bool holds(const dxdb_peer *peer, const dxdb_kept *kept)
{
    const dxdb_call *call = peer->calls;
    while (call && call->kept != kept) call = call->next;
    return call != NULL;
}

static void drop(dxdb_hbtp *h, dxdb_kept *kept)
{
    assert(kept->users);
    if (--kept->users) return;
    assert(h->results->metrics.kept_bytes >= kept->size);
    h->results->metrics.kept_bytes -= kept->size;
    if (h->newest == kept) h->newest = NULL;
    free(kept);
}

static void end_call(dxdb_call *call, dx_hbtp_session *s)
{
    dxdb_results_forget(&call->request);
    dxdb_results_forget_write(&call->writing);
    dxdb_follow_forget(&call->watch);
    dxdb_catalog_forget(&call->hbtp->results->catalog, &call->wait);
    if (call->prev) call->prev->next = call->next;
    else peer_of(s)->calls = call->next;
    if (call->next) call->next->prev = call->prev;
    if (call->kept && !holds(peer_of(s), call->kept)) {
        assert(peer_of(s)->kept_bytes >= call->kept->size);
        peer_of(s)->kept_bytes -= call->kept->size;
    }
    if (call->kept) drop(call->hbtp, call->kept);
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

/* The answer is known: bytes, or for other statuses than 200 a terminated text. */
static void answer(dxdb_call *call, uint16_t status, const void *bytes, size_t size)
{
    dx_hbtp_session *s = dx_link_session(&call->hbtp->links, call->link);
    if (status != DXDB_OK) size = strlen(bytes) + 1;
    assert(s);
    if (!call->is_inside && reply(call, s, status, bytes, size)) {
        end_call(call, s);
        return;
    }
    if (!call->is_inside && status == DXDB_OK && !may_keep(call->hbtp, peer_of(s), bytes, size)) {
        static const char full[] = "too many answers wait to be read, ask again";
        call->hbtp->results->metrics.kept_refused++;
        status = DXDB_UNAVAILABLE;
        bytes = full;
        size = sizeof full;
    }
    dxdb_kept *kept = keep(call->hbtp, bytes, size);
    if (!holds(peer_of(s), kept)) peer_of(s)->kept_bytes += kept->size;
    call->status = status;
    call->kept = kept;
}

static void answer_result(dxdb_call *call, const dxdb_result *result)
{
    const bool good = result->status == DXDB_OK;
    answer(call, result->status, good ? (const void *)result->record : result->why,
           good ? result->record_size : 0);
}

static void on_answered(dxdb_request *request, const dxdb_result *result)
{
    answer_result(CALL_OF(request, request), result);
}

static uint64_t get_number(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

static void on_written(dxdb_writing *w, const dxdb_outcome *outcome)
{
    uint8_t bytes[8 + 8 * DXDB_STATEMENTS_MAX];
    dxdb_put_number(bytes, outcome->position, 8);
    for (uint32_t i = 0; i < outcome->count; i++)
        dxdb_put_number(bytes + 8 + 8 * i, outcome->counts[i], 8);
    answer(CALL_OF(w, writing), outcome->status,
           outcome->status == DXDB_OK ? (const void *)bytes : outcome->why, 8 + 8 * outcome->count);
}

static void on_watched(dxdb_watch *w, uint16_t status, const char *why)
{
    dxdb_call *call = CALL_OF(w, watch);
    const dxdb_followed *f = w->followed;
    uint8_t bytes[32], checksum[16];
    if (status != DXDB_OK) {
        answer(call, status, why, 0);
        return;
    }
    dxdb_put_number(bytes, f->state.number, 4);
    dxdb_put_number(bytes + 4, 0, 4);
    if (call->has_record && call->epoch != f->state.epoch) {
        dxdb_follow_checksum(f, checksum);
        dxdb_put_number(bytes + 4, !memcmp(checksum, call->checksum, sizeof checksum), 4);
    }
    dxdb_put_number(bytes + 8, f->state.epoch, 8);
    dxdb_put_number(bytes + 16, f->state.version, 8);
    dxdb_put_number(bytes + 24, f->position, 8);
    answer(call, DXDB_OK, bytes, sizeof bytes);
}

/* There is space again: send the pending answers, oldest first, then changes of followed results. */
static void on_writable(dx_link *l, dx_link_id id)
{
    dxdb_hbtp *h = l->desc.user;
    dx_hbtp_session *s = dx_link_session(l, id);
    dxdb_call *call = s ? first_of(s) : NULL;
    while (call && call->next) call = call->next;
    while (call) {
        dxdb_call *newer = call->prev;
        if (call->status) {
            if (!reply(call, s, call->status, call->kept->bytes, call->kept->size)) return;
            end_call(call, s);
        }
        call = newer;
    }
    if (s) (void)dx_states_send(&h->follow->states, s);
}

/* >>requests ------------------------------------------------------------------------- */
typedef struct argument_bytes {
    const uint8_t *bytes;
    size_t         size;
} argument_bytes;

/* Refuse a call, with the reason. */
static int refuse(const dx_hbtp_context *c, dxdb_hbtp *h, uint16_t status, const char *why)
{
    const int error = dx_hbtp_write_rpc_error(c->out, c->frame->sequence, status, why);
    if (!error) count(h, status);
    return error;
}

/* Take one argument of each parameter, as terminated texts in `texts`. Returns NULL, or what is wrong. */
static const char *parse(argument_bytes *a, uint32_t want, const char **values, char *texts,
                  size_t capacity)
{
    for (uint32_t i = 0; i < want; i++) {
        const uint8_t *p = a->bytes;
        if (a->size < 4) return "a parameter is missing";
        const uint32_t size = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                              (uint32_t)p[3] << 24;
        a->bytes += 4;
        a->size -= 4;
        values[i] = NULL;
        if (size == UINT32_MAX) continue;
        if (size > a->size) return "a parameter is longer than the request";
        if (size >= capacity)
            return "the parameters together have more than " TEXT_OF(DX_QUERIES_KEY_MAX) " bytes";
        if (memchr(a->bytes, 0, size)) return "a parameter has a zero byte";
        values[i] = memcpy(texts, a->bytes, size);
        texts[size] = 0;
        texts += size + 1;
        capacity -= size + 1;
        a->bytes += size;
        a->size -= size;
    }
    return NULL;
}

/* Arguments of a call, on the stack of its handler. */
typedef struct arguments {
    const char *values[DXDB_PARAMETERS_MAX];
    char        texts[DX_QUERIES_KEY_MAX + DXDB_PARAMETERS_MAX];
} arguments;

/* A call that waits. values NULL: they are not needed later. */
static dxdb_call *new_call(const dx_hbtp_context *c, dxdb_hbtp *h, uint32_t count_of_values,
                           const char *const *values)
{
    const size_t size = values ? dxdb_values_size(values, count_of_values) : 0;
    dxdb_call *call = prog_alloc(sizeof *call + size);
    memset(call, 0, sizeof *call);
    if (values) dxdb_values_copy(values, count_of_values, call->values, call->texts);
    call->hbtp = h;
    call->link = dx_link_id_of(c->session);
    call->sequence = c->frame->sequence;
    call->next = first_of(c->session);
    if (call->next) call->next->prev = call;
    peer_of(c->session)->calls = call;
    call->is_inside = true;
    return call;
}

/* The end of a handler: later, or the answer that is known already. */
static int end_handler(const dx_hbtp_context *c, dxdb_call *call)
{
    int error;
    call->is_inside = false;
    if (!call->status) return DX_HBTP_LATER;
    if (call->status == DXDB_OK)
        error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, call->kept->bytes,
                                           call->kept->size);
    else error = dx_hbtp_write_rpc_error(c->out, c->frame->sequence, call->status,
                                         (const char *)call->kept->bytes);
    if (!error) count(call->hbtp, call->status);
    end_call(call, c->session);
    return error;
}

/* The position was reached: answer from memory, or from the database. */
static void on_reached(dxdb_wait *w, uint16_t status, const char *why)
{
    dxdb_call *call = CALL_OF(w, wait);
    dxdb_results *r = call->hbtp->results;
    dxdb_result result;
    if (status != DXDB_OK) {
        answer(call, status, why, 0);
    } else if (dxdb_results_get(r, call->query, call->values, &result)) {
        answer_result(call, &result);
        dxdb_results_release(r);
    } else {
        call->request.answered = on_answered;
        dxdb_results_load(r, call->query, call->values, true, &call->request);
    }
}

static int query_at(const dx_hbtp_context *c, const dxdb_method *m, const arguments *a,
                    uint64_t position)
{
    dxdb_hbtp *h = m->hbtp;
    const dxdb_config *config = h->results->config;
    dxdb_call *call = new_call(c, h, config->queries[m->query].parameter_count, a->values);
    call->query = m->query;
    call->wait.reached = on_reached;
    dxdb_catalog_wait(&h->results->catalog, &call->wait, position, config->request_ms * 1000000);
    return end_handler(c, call);
}

static int on_query(const dx_hbtp_context *c)
{
    const dxdb_method *m = c->user;
    dxdb_hbtp *h = m->hbtp;
    argument_bytes bytes = {c->payload, c->payload_size};
    arguments a;
    dxdb_result result;
    const char *why = parse(&bytes, h->results->config->queries[m->query].parameter_count, a.values,
                            a.texts, sizeof a.texts);
    if (!why && bytes.size && bytes.size != 8)
        why = "after the parameters comes nothing, or a position of 8 bytes";
    if (why) return refuse(c, h, DXDB_BAD_REQUEST, why);
    if (bytes.size) return query_at(c, m, &a, get_number(bytes.bytes));
    if (dxdb_results_get(h->results, m->query, a.values, &result)) {
        const int error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, result.record,
                                                     result.record_size);
        dxdb_results_release(h->results);
        if (!error) count(h, DXDB_OK);
        return error;
    }
    dxdb_call *call = new_call(c, h, 0, NULL);
    call->request.answered = on_answered;
    dxdb_results_load(h->results, m->query, a.values, true, &call->request);
    return end_handler(c, call);
}

static int on_write(const dx_hbtp_context *c)
{
    const dxdb_method *m = c->user;
    dxdb_hbtp *h = m->hbtp;
    argument_bytes bytes = {c->payload, c->payload_size};
    arguments a;
    const char *why = parse(&bytes, h->results->config->writes[m->query].parameter_count, a.values, a.texts,
                            sizeof a.texts);
    if (!why && bytes.size) why = "there are bytes after the parameters";
    if (why) return refuse(c, h, DXDB_BAD_REQUEST, why);
    dxdb_call *call = new_call(c, h, 0, NULL);
    call->writing.written = on_written;
    dxdb_results_write(h->results, m->query, a.values, &call->writing);
    return end_handler(c, call);
}

static int on_watch(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = ((const dxdb_method *)c->user)->hbtp;
    const dxdb_config *config = h->results->config;
    argument_bytes bytes = {c->payload, c->payload_size};
    const uint8_t *record = NULL; /* its epoch and checksum */
    arguments a;
    uint32_t query = 0;
    if (bytes.size < 2 || bytes.bytes[1] > 1)
        return refuse(c, h, DXDB_BAD_REQUEST, "it begins with a method, and with 0 or 1");
    while (query < config->query_count && config->queries[query].method != bytes.bytes[0]) query++;
    if (query == config->query_count) return refuse(c, h, DXDB_NOT_FOUND, "no query has this method");
    if (bytes.bytes[1]) record = bytes.bytes + 2;
    const size_t head = record ? 2 + 8 + 16 : 2;
    if (bytes.size < head)
        return refuse(c, h, DXDB_BAD_REQUEST, "the epoch and the checksum of the record are missing");
    bytes.bytes += head;
    bytes.size -= head;
    const char *why = parse(&bytes, config->queries[query].parameter_count, a.values, a.texts, sizeof a.texts);
    if (!why && bytes.size) why = "there are bytes after the parameters";
    if (why) return refuse(c, h, DXDB_BAD_REQUEST, why);
    dxdb_call *call = new_call(c, h, 0, NULL);
    call->has_record = record != NULL;
    call->watch.ready = on_watched;
    if (record) {
        call->epoch = get_number(record);
        memcpy(call->checksum, record + 8, sizeof call->checksum);
    }
    /* Another worker or run may have shown this client more than this one has in memory. */
    const bool is_fresh = record && !dxdb_follow_has_epoch(h->follow, call->epoch);
    dxdb_follow_watch(h->follow, query, a.values, is_fresh, &call->watch);
    return end_handler(c, call);
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
    dxdb_peer *peer = peer_of(c->session);
    peer->has_asked = true;
    const uint16_t status = dxdb_guard_check(h->guard, &peer->subject);
    const int error = status ? refuse(c, h, status, dxdb_guard_why(&peer->subject)) : 0;
    return status && !error ? DX_HBTP_STOP : error;
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
DX_HBTP_CHAIN(guarded_write, on_write, auth, rate)
DX_HBTP_CHAIN(guarded_watch, on_watch, auth, rate)

static int describe(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = hbtp_of(c);
    const int query = dxdb_config_find(h->results->config, (const char *)c->payload,
                                       c->payload_size);
    dxdb_text text = {0};
    int result;
    const int write = dxdb_config_find_write(h->results->config, (const char *)c->payload,
                                             c->payload_size);
    uint16_t status = DXDB_OK;
    if (query < 0 && write < 0) return refuse(c, h, DXDB_NOT_FOUND, "there is no such query or write");
    if (write >= 0) dxdb_results_describe_write(h->results, (uint32_t)write, &text);
    else status = dxdb_results_describe(h->results, (uint32_t)query, &text);
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
                            &peer_of(session)->subject, offer->why);
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
    peer->link = id;
    peer->opened_ns = dx_reactor_now_ns(l->reactor);
    peer->next = h->peers;
    if (peer->next) peer->next->prev = peer;
    h->peers = peer;
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
    dx_states_leave(&h->follow->states, s);
    dxdb_peer *peer = peer_of(s);
    if (peer->prev) peer->prev->next = peer->next;
    else h->peers = peer->next;
    if (peer->next) peer->next->prev = peer->prev;
    free(peer);
    s->desc.user = NULL;
    h->results->metrics.hbtp_links--;
}

/* >>subscriptions ---------------------------------------------------------------------- */
/* Subscribe or unsubscribe. A refusal has a text. */
static int on_subscribe(const dx_hbtp_context *c)
{
    dxdb_hbtp *h = dx_link_of(c->session)->desc.user;
    char text[DXDB_TEXT_SIZE];
    dx_hbtp_context inner = *c;
    inner.user = &h->follow->states;
    const int result = dx_states_handler(&inner);
    const char *why = result == DXDB_NOT_FOUND ? "no result is followed by this number: ask method 255"
                    : result == DX_HBTP_STATUS_UNAUTHORIZED ? dxdb_guard_why(&peer_of(c->session)->subject)
                    : result == DXDB_TOO_MANY ? text : NULL;
    if (!why || !(c->frame->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) return result;
    snprintf(text, sizeof text, "too many subscriptions: a connection may have %d, and all of a worker %u",
             DXDB_SUBSCRIPTIONS_MAX, (unsigned)dxdb_follow_capacity(h->results->config));
    return refuse(c, h, (uint16_t)result, why);
}

static uint16_t on_check(const dx_hbtp_session *session)
{
    const dxdb_hbtp *h = dx_link_of(session)->desc.user;
    peer_of(session)->subscribes = true;
    return dxdb_guard_check(h->guard, &peer_of(session)->subject);
}

/* Does an answer wait until the peer has read others? */
static bool has_kept(const dx_hbtp_session *s)
{
    const dxdb_call *call = first_of(s);
    while (call && !call->kept) call = call->next;
    return call != NULL;
}

/* Close a client whose output has not moved for lag_ms while answers or changes wait for it, and a
   subscriber whose token has expired. */
static void check_peer(dxdb_hbtp *h, dxdb_peer *peer)
{
    dx_hbtp_session *s = dx_link_session(&h->links, peer->link);
    size_t unsent;
    int unread = 0;
    if (!peer->subscribes && (peer->is_ended || !has_kept(s))) {
        peer->stuck_ms = 0;
        return;
    }
    if (peer->subscribes && dxdb_guard_check(h->guard, &peer->subject)) {
        dx_states_leave(&h->follow->states, s);
        (void)dx_link_close(&h->links, peer->link, 401, "the token has expired");
        return;
    }
    (void)dx_hbtp_out_data(s->desc.out, &unsent);
    (void)ioctl(dx_link_fd(&h->links, peer->link), SIOCOUTQ, &unread);
    if (!unsent || unsent != peer->unsent || unread != peer->unread) peer->stuck_ms = 0;
    else peer->stuck_ms += TICK_MS;
    peer->unsent = unsent;
    peer->unread = unread;
    if (peer->stuck_ms < h->results->config->lag_ms) return;
    const bool subscribed = peer->subscribes;
    peer->is_ended = true; /* it is told once, however long closing takes */
    peer->subscribes = false;
    h->results->metrics.lagging++;
    dx_states_leave(&h->follow->states, s);
    (void)dx_link_close(&h->links, peer->link, 408, subscribed ? "it does not read what it subscribed to"
                                                              : "it does not read its answers");
}

static void on_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_hbtp *h = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    for (dxdb_peer *peer = h->peers, *next; peer; peer = next) {
        next = peer->next;
        check_peer(h, peer);
    }
    /* From now on, not from the time of the last wait: if something else took long, ticks that follow
       each other at once would count as time in which a client did not read. */
    (void)dx_reactor_refresh_now_ns(r);
    (void)dx_reactor_timer(r, op, (uint64_t)TICK_MS * 1000000);
}

static void set_routes(dxdb_hbtp *h)
{
    const dxdb_config *config = h->results->config;
    dx_hbtp_router_init(&h->router);
    dx_hbtp_router_set(&h->router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &h->hello);
    dx_hbtp_router_set(&h->router, DX_HBTP_OP_STATE_SUBSCRIBE, on_subscribe, h);
    dx_hbtp_router_set(&h->router, DX_HBTP_OP_STATE_UNSUBSCRIBE, on_subscribe, h);
    h->describe.hbtp = h;
    h->watch.hbtp = h;
    dx_hbtp_router_set_method(&h->router, 0, guarded_describe, &h->describe);
    dx_hbtp_router_set_method(&h->router, DXDB_METHOD_FOLLOW, guarded_watch, &h->watch);
    for (uint32_t i = 0; i < config->query_count; i++) {
        h->methods[i].hbtp = h;
        h->methods[i].query = i;
        dx_hbtp_router_set_method(&h->router, config->queries[i].method, guarded_query,
                                  &h->methods[i]);
    }
    for (uint32_t i = 0; i < config->write_count; i++) {
        h->writes[i].hbtp = h;
        h->writes[i].query = i;
        dx_hbtp_router_set_method(&h->router, config->writes[i].method, guarded_write,
                                  &h->writes[i]);
    }
}

int dxdb_hbtp_begin(dxdb_hbtp *h, dx_reactor *r, dxdb_follow *follow, dxdb_guard *guard,
                    int listening)
{
    static const char agent[] = "dxdb 0.3.0";
    const dxdb_config *config = follow->config;
    dx_link_desc desc;
    memset(h, 0, sizeof *h);
    h->follow = follow;
    h->results = follow->results;
    h->guard = guard;
    h->hello.admit = on_admit;
    h->hello.user = h;
    h->hello.who.agent.bytes = agent;
    h->hello.who.agent.size = sizeof agent - 1;
    h->hello.features = DX_HBTP_FEATURE_RESUME;
    set_routes(h);
    follow->check = on_check;
    dx_reactor_op_init(&h->tick_op, on_tick, h);
    (void)dx_reactor_timer(r, &h->tick_op, (uint64_t)TICK_MS * 1000000);
    memset(&desc, 0, sizeof desc);
    desc.links_max = config->connections;
    desc.block_size = BLOCK_SIZE;
    desc.block_count = BLOCKS + config->connections;
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
    if (!error && listening >= 0) error = dx_link_listen(&h->links, listening);
    return error ? prog_fail(PROG_SYSTEM, "cannot start the HBTP server: %s",
                                          dx_link_error_name(error)) : PROG_OK;
}

int dxdb_hbtp_add(void *protocol, int fd)
{
    dxdb_hbtp *h = protocol;
    dx_link_id id;
    const int error = dx_link_add(&h->links, fd, &id);
    if (!error) on_opened(&h->links, id);
    return error;
}

void dxdb_hbtp_listen_end(dxdb_hbtp *h) { dx_link_listen_end(&h->links); }

bool dxdb_hbtp_expects(const dxdb_hbtp *h)
{
    const uint64_t now = dx_reactor_now_ns(h->links.reactor);
    if (dx_link_is_listening(&h->links)) return true;
    for (const dxdb_peer *peer = h->peers; peer; peer = peer->next)
        if (!peer->has_asked && now - peer->opened_ns < (uint64_t)DXDB_FIRST_MS * 1000000) return true;
    return false;
}

void dxdb_hbtp_drain(dxdb_hbtp *h, uint64_t within_ns)
{
    (void)dx_reactor_cancel(h->links.reactor, &h->tick_op);
    dx_link_drain(&h->links, within_ns);
}

void dxdb_hbtp_free(dxdb_hbtp *h)
{
    assert(!h->peers);
    free(h->memory);
    h->memory = NULL;
}
