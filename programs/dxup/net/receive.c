/* A version that a sender offers is fetched as a pull fetches one, with the sides exchanged: this side asks
   for the objects that its store lacks, and the sender answers.

       sender                                receiver
         | offer: number, root                  |
         |------------------------------------->|  epoch, history, limits
         |                  ids of objects      |
         |<-------------------------------------|  tree/missing.h
         | FileChunks: these objects            |
         |------------------------------------->|  each is verified by its id, then stored
         |                   ...                |
         |                  empty reply         |
         |<-------------------------------------|  the version is committed

   Objects are committed every MiB, so a transfer that was cut off continues with the next offer. The store
   is locked from the first offer until nobody has sent for two seconds. A gc that waits for it gets it before
   that: the versions that arrive are completed, and further offers are refused until the gc has ended. After
   an error of the store all versions that arrive are refused, and it is opened again. */
#include "receive.h"

#include "leases.h"
#include "../../common/os.h"
#include "../../sync/question.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { COMMIT_BYTES = 1 << 20, ASKED_AT_ONCE = 2, LEASE_MS_MAX = 3600000 };
#define STALL_NS INT64_C(60000000000)
#define REST_NS  INT64_C(2000000000)

struct dxup_receiver {
    const char     *path;
    versions_limits limits;
    versions_store *store;    /* open for writing; NULL: another process may write */
    bool            failed;   /* it is closed once no version arrives */
    int64_t         used_ns;
    dxup_leases    *leases;
    dxup_bundler   *bundler;
    unsigned        count;    /* versions that arrive */
};

struct dxup_incoming {
    dxup_receiver    *receiver;
    dx_hbtp_session  *session;
    uint16_t          sequence;  /* of the offer */
    uint64_t          epoch, previous;
    uint8_t           base[PROG_HASH_SIZE];
    versions_version  version;
    versions_missing *lack;
    dxup_question     asked[ASKED_AT_ONCE];
    unsigned          asked_count;
    uint32_t          transfer;  /* number of the last request */
    size_t            answer_size;
    uint64_t          fresh, got, alone;
    int64_t           moved_ns;
    uint8_t           answer[DXUP_BUNDLE_ANSWER_MAX];
};

dxup_receiver *dxup_receiver_open(const char *store, const versions_limits *limits)
{
    dxup_receiver *r = prog_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    r->path = store;
    r->limits = *limits;
    r->leases = dxup_leases_open(store);
    r->bundler = dxup_bundler_open();
    return r;
}

void dxup_receiver_close(dxup_receiver *r)
{
    if (!r) return;
    assert(!r->count);
    versions_store_close(r->store);
    dxup_leases_close(r->leases);
    dxup_bundler_close(r->bundler);
    free(r);
}

/* >>store -------------------------------------------------------------- */
/* The status for a failure of this side's store. */
static int fail_store(dxup_receiver *r, int status)
{
    assert(status);
    r->failed = true;
    if (status == PROG_SYSTEM) return DXUP_STATUS_FULL;
    return DX_HBTP_STATUS_INTERNAL;
}

static void rest(dxup_receiver *r)
{
    if (r->count || !r->store) return;
    if (!r->failed) versions_store_save_index(r->store);
    versions_store_close(r->store);
    r->store = NULL;
    r->failed = false;
}

void dxup_receiver_tick(dxup_receiver *r)
{
    if (!r->store || r->count) return;
    if (r->failed || prog_now_ns() - r->used_ns > REST_NS || versions_store_is_wanted(r->path)) rest(r);
}

/* Lock the store. Another writer, a gc for example, is no failure: the sender tries again. */
static int lock_store(dxup_receiver *r)
{
    r->used_ns = prog_now_ns();
    if (versions_store_is_wanted(r->path)) {
        rest(r);
        return DX_HBTP_STATUS_UNAVAILABLE;
    }
    if (r->store && (r->failed || !versions_store_in_place(r->store))) {
        r->failed = true;
        rest(r);
        if (r->store) return DX_HBTP_STATUS_UNAVAILABLE;
    }
    if (r->store) return 0;
    prog_mute(true);
    const int status = versions_store_open(&r->store, r->path, VERSIONS_WRITE);
    prog_mute(false);
    if (!status) return 0;
    r->store = NULL;
    if (status == PROG_REFUSED) return DX_HBTP_STATUS_UNAVAILABLE;
    return status == PROG_SYSTEM ? DXUP_STATUS_FULL : DX_HBTP_STATUS_INTERNAL;
}

/* >>lease -------------------------------------------------------------- */
static bool copy_text(dx_teleport_string text, char name[PROG_NAME_SIZE_MAX + 1])
{
    if (!text.size || text.size > PROG_NAME_SIZE_MAX || memchr(text.data, 0, text.size)) return false;
    memcpy(name, text.data, text.size);
    name[text.size] = 0;
    char plain[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    versions_split_version(name, plain, &version);
    return !version && !versions_tag_in(name) && !strchr(name, ':');
}

/* Give the lease to a new holder, under a new epoch. */
static int grant(dxup_receiver *r, const char *name, dxup_lease *lease, const uint8_t *holder,
                 uint32_t lease_ms)
{
    int result = lock_store(r);
    if (result) return result;
    lease->epoch++;
    lease->lease_ms = lease_ms;
    memcpy(lease->holder, holder, sizeof lease->holder);
    return dxup_leases_write(r->leases, name, lease) ? DXUP_STATUS_FULL : 0;
}

/* Decide about a lease that is asked for. */
static int decide(dxup_receiver *r, const char *name, lease_request_view *v, dxup_lease *lease,
                  bool *granted, uint32_t *left_ms)
{
    uint8_t holder[DXUP_HOLDER_SIZE], before[DXUP_HOLDER_SIZE];
    bool renews;
    const uint32_t lease_ms = lease_request_get_lease_ms(v);
    lease_request_copy_holder(v, 0, holder, sizeof holder);
    lease_request_copy_before(v, 0, before, sizeof before);
    *granted = dxup_leases_free(r->leases, name, lease, holder, before, &renews, left_ms) && lease_ms;
    if (!lease_ms && renews) dxup_leases_end(r->leases, name, lease);
    if (!*granted) return 0;
    if (!renews || lease->lease_ms != lease_ms) {
        /* the file may have changed before the store was locked */
        int result = lock_store(r);
        if (result) return result;
        if (dxup_leases_read(r->leases, name, lease)) return DX_HBTP_STATUS_INTERNAL;
        *granted = dxup_leases_free(r->leases, name, lease, holder, before, &renews, left_ms);
        if (!*granted) return 0;
        if (renews) lease->epoch--; /* the same holder under the same epoch, for another time */
        result = grant(r, name, lease, holder, lease_ms);
        if (result) return result;
    }
    dxup_leases_renew(r->leases, name, lease);
    return 0;
}

static int find_latest(dxup_receiver *r, const char *name, versions_version *out)
{
    versions_store *s = r->store;
    int status = PROG_OK;
    memset(out, 0, sizeof *out);
    if (!s) status = versions_store_open(&s, r->path, VERSIONS_READ);
    if (!status) status = versions_version_find(s, name, 0, out);
    if (s != r->store) versions_store_close(s);
    if (status == PROG_NOT_FOUND) memset(out, 0, sizeof *out);
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

int dxup_receive_lease(dxup_receiver *r, const dx_hbtp_context *context)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    lease_request_view v;
    lease_reply_writer w;
    versions_version latest;
    dxup_lease lease;
    uint8_t bytes[128];
    bool granted;
    uint32_t left_ms;
    size_t size = 0;
    if (lease_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION) ||
        !copy_text(lease_request_get_name(&v), name) || lease_request_get_lease_ms(&v) > LEASE_MS_MAX)
        return DX_HBTP_STATUS_BAD_REQUEST;
    if (dxup_leases_read(r->leases, name, &lease)) return DX_HBTP_STATUS_INTERNAL;
    const int result = decide(r, name, &v, &lease, &granted, &left_ms);
    if (result) return result;
    if (find_latest(r, name, &latest)) return DX_HBTP_STATUS_INTERNAL;
    lease_reply_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    lease_reply_set_epoch(&w, lease.epoch);
    lease_reply_set_version(&w, latest.version);
    lease_reply_set_size(&w, latest.size);
    lease_reply_set_time_ns(&w, latest.time_ns);
    lease_reply_set_lease_ms(&w, left_ms);
    lease_reply_set_granted(&w, granted);
    lease_reply_set_root(&w, latest.root);
    if (lease_reply_finish(&w, &size)) return DX_HBTP_STATUS_INTERNAL;
    return dx_hbtp_write_rpc_response(context->out, context->frame->sequence, bytes, size);
}

/* >>offer -------------------------------------------------------------- */
/* May the version follow now? An offer is checked when it arrives, and once more before its commit. */
static int check_offer(dxup_receiver *r, const dxup_incoming *in)
{
    dxup_lease lease;
    versions_version latest;
    if (dxup_leases_read(r->leases, in->version.name, &lease)) return DX_HBTP_STATUS_INTERNAL;
    if (lease.epoch != in->epoch) return DXUP_STATUS_EPOCH;
    dxup_leases_renew(r->leases, in->version.name, &lease);
    if (find_latest(r, in->version.name, &latest)) return DX_HBTP_STATUS_INTERNAL;
    if (latest.version != in->previous || in->version.version <= in->previous ||
        (latest.version && (!latest.snapshot || memcmp(latest.root, in->base, sizeof in->base) != 0)))
        return DXUP_STATUS_OTHER;
    return 0;
}

static bool read_offer(dxup_incoming *in, const dx_hbtp_context *context)
{
    offer_request_view v;
    versions_version *to = &in->version;
    if (offer_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION) ||
        !copy_text(offer_request_get_name(&v), to->name))
        return false;
    to->version = offer_request_get_version(&v);
    to->size = offer_request_get_size(&v);
    to->time_ns = offer_request_get_time_ns(&v);
    to->torn = offer_request_get_torn(&v);
    to->mode = offer_request_get_mode(&v);
    to->consistent = offer_request_get_consistent(&v);
    to->kind = PROG_TREE;
    to->snapshot = true;
    offer_request_copy_root(&v, 0, to->root, sizeof to->root);
    offer_request_copy_base(&v, 0, in->base, sizeof in->base);
    in->epoch = offer_request_get_epoch(&v);
    in->previous = offer_request_get_previous(&v);
    in->sequence = context->frame->sequence;
    in->session = context->session;
    return to->version && to->version <= UINT64_MAX - 3 && !(to->consistent && to->torn) && in->epoch;
}

static int ask(dxup_incoming *in);

int dxup_receive_offer(dxup_receiver *r, const dx_hbtp_context *context, dxup_incoming **out,
                       char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version)
{
    dxup_incoming *in;
    *out = NULL;
    if (r->count == DXUP_INCOMING_MAX) return DX_HBTP_STATUS_UNAVAILABLE;
    int result = lock_store(r);
    if (result) return result;
    in = prog_alloc(sizeof *in);
    memset(in, 0, offsetof(dxup_incoming, answer));
    in->receiver = r;
    in->moved_ns = prog_now_ns();
    result = read_offer(in, context) ? check_offer(r, in) : DX_HBTP_STATUS_BAD_REQUEST;
    memcpy(name, in->version.name, sizeof in->version.name);
    *version = in->version.version;
    if (!result) {
        in->lack = versions_missing_open(r->store, in->version.root, in->previous ? in->base : NULL,
                                         &r->limits);
        versions_missing_trust_old(in->lack);
        r->count++;
        result = ask(in);
        if (result < 0) *out = in;
        else if (!result) result = dx_hbtp_write_rpc_response(context->out, in->sequence, NULL, 0);
    }
    if (*out) return DX_HBTP_LATER;
    dxup_receive_end(in);
    return result;
}

void dxup_receive_end(dxup_incoming *in)
{
    if (in->lack) {
        assert(in->receiver->count > 0);
        in->receiver->count--;
        in->receiver->used_ns = prog_now_ns();
        if (!in->receiver->failed && versions_store_commit(in->receiver->store))
            in->receiver->failed = true; /* what has arrived is fetched again */
        versions_missing_close(in->lack);
    }
    free(in);
}

/* >>objects ------------------------------------------------------------ */
/* The meaning of a failure while an object is stored, or a list is read. */
static int fail(dxup_incoming *in, int status)
{
    if (status == PROG_DAMAGED) return DX_HBTP_STATUS_BAD_REQUEST; /* not what its id or its list says */
    if (status == PROG_REFUSED) return DXUP_STATUS_LIMIT;
    if (status == PROG_NETWORK) return DXUP_STATUS_GONE;
    prog_warn("%s: version %llu of '%s' cannot be stored", in->receiver->path,
              (unsigned long long)in->version.version, in->version.name);
    return fail_store(in->receiver, status);
}

static dxup_asker asker_of(dxup_incoming *in)
{
    const dxup_asker a = {.lack = in->lack, .store = in->receiver->store,
                          .bundler = in->receiver->bundler, .name = in->version.name, .patches = true};
    return a;
}

/* All objects are there: commit the version. */
static int commit(dxup_incoming *in)
{
    dxup_receiver *r = in->receiver;
    const int result = check_offer(r, in);
    if (result) return result;
    const int status = versions_version_copy(r->store, &in->version, in->previous);
    if (status == PROG_REFUSED) return DXUP_STATUS_OTHER;
    return status ? fail_store(r, status) : 0;
}

/* Ask for what is missing. -1: answers are awaited; 0: the version is complete and committed; or an RPC
   error. */
static int ask(dxup_incoming *in)
{
    uint8_t bytes[DXUP_BUNDLE_REQUEST_MAX];
    const dxup_asker asker = asker_of(in);
    bool none = false, full;
    if (in->receiver->failed) return DX_HBTP_STATUS_UNAVAILABLE;
    while (in->asked_count < ASKED_AT_ONCE) {
        dxup_question *q = &in->asked[in->asked_count];
        prog_mute(true);
        const int status = dxup_question_fill(&asker, q, &none, &full);
        prog_mute(false);
        if (status) return fail(in, status);
        if (none) break;
        q->request.transfer = ++in->transfer;
        const size_t size = dxup_bundle_write_request(&q->request, bytes);
        const int error = dx_hbtp_call(in->session, DXUP_RPC_OBJECTS, bytes, size, UINT64_MAX, NULL, NULL);
        if (error) return DX_HBTP_STATUS_UNAVAILABLE;
        in->asked_count++;
    }
    if (in->asked_count) return -1;
    return versions_missing_is_done(in->lack) ? commit(in) : DX_HBTP_STATUS_BAD_REQUEST;
}

static int handle_answer(dxup_incoming *in)
{
    dxup_bundle b;
    dxup_receiver *r = in->receiver;
    const dxup_asker asker = asker_of(in);
    if (r->failed) return DX_HBTP_STATUS_UNAVAILABLE;
    prog_mute(true);
    int status = dxup_bundle_open(r->bundler, r->store, &in->asked[0].request, in->answer,
                                  in->answer_size, &b);
    if (!status) status = dxup_question_add(&asker, &in->asked[0], &b, &in->got, &in->alone);
    prog_mute(false);
    if (status) return fail(in, status);
    in->fresh += in->answer_size;
    in->answer_size = 0;
    in->moved_ns = r->used_ns = prog_now_ns();
    memmove(in->asked, in->asked + 1, --in->asked_count * sizeof *in->asked);
    if (in->fresh >= COMMIT_BYTES) {
        status = versions_store_commit(r->store);
        in->fresh = 0;
        if (status) return fail(in, status);
    }
    return ask(in);
}

/* Answer the offer if it is over. */
static void answer(dxup_incoming *in, int *status)
{
    if (*status < 0) return;
    if (*status) (void)dx_hbtp_reply_error(in->session, in->sequence, (uint16_t)*status, NULL);
    else (void)dx_hbtp_reply(in->session, in->sequence, NULL, 0);
}

void dxup_receive_chunk(dxup_incoming *in, const dx_hbtp_frame *frame, int *status)
{
    dx_hbtp_file_chunk chunk;
    *status = -1;
    if (dx_hbtp_parse_file_chunk(frame, &chunk) || !in->asked_count ||
        chunk.transfer != in->asked[0].request.transfer || chunk.offset != in->answer_size ||
        !chunk.data_size || chunk.data_size > sizeof in->answer - in->answer_size) {
        *status = DX_HBTP_STATUS_BAD_REQUEST;
    } else {
        memcpy(in->answer + in->answer_size, chunk.data, chunk.data_size);
        in->answer_size += chunk.data_size;
        if (chunk.final) *status = handle_answer(in);
    }
    answer(in, status);
}

void dxup_receive_result(dxup_incoming *in, const dx_hbtp_result *result, int *status)
{
    *status = -1;
    if (!result->error || result->error == DX_HBTP_ECANCELED) return;
    *status = DXUP_STATUS_GONE;
    answer(in, status);
}

bool dxup_receive_stalls(const dxup_incoming *in) { return prog_now_ns() - in->moved_ns > STALL_NS; }
