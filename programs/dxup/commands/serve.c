/* dxup serve: workers, each a thread with its own reactor, listener and store handle, besides the
   patch thread (net/patches.c) and the HTTP server (net/http.c).

       request --> on_pull() or on_range() --> reply, then the transfer
                       |                         |
                       | DX_HBTP_LATER           | on_writable(): FileChunks, as far as
                       v                         v the link takes them
                 patch thread --message-->  retry_waiting()

   Connections are links of dx_link.h. Each has one transfer at a time: a complete version, a patch,
   or a range of either. While its patch is being made, it waits; a message from the patch thread wakes
   all workers, and each checks its waiting connections. Chunks are written into blocks that all links
   of a worker share, so only connections with a transfer hold blocks.

   With --push one more worker listens on that address. It also takes versions (net/receive.c), so that
   writing to the store holds up no pull of the others.

   SIGHUP reopens the log, reads the configuration again, and makes every worker look for a new store at
   the path.

   On shutdown (SIGTERM) workers accept no more connections and drain their links: open transfers and
   pulls of objects continue for DXUP_DRAIN_S, and other requests get 503. */
#include "commands.h"
#include "table.h"

#include "../../common/json.h"
#include "../../common/os.h"
#include "../../sync/address.h"
#include "../../sync/bundle.h"
#include "../net/guests.h"
#include "../net/http.h"
#include "../net/http_fields.h"
#include "../../sync/loop.h"
#include "../../sync/listing.h"
#include "../net/log.h"
#include "../net/patches.h"
#include "../net/receive.h"
#include "../../sync/whole.h"
#include "../../sync/wire.h"
#include "../../versions/tree/content.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX      = 8192, /* of a request */
    OUT_SIZE         = 4096, /* replies of a connection */
    PIECE_SIZE       = 65536,
    BLOCK_SIZE       = PIECE_SIZE + DX_HBTP_FILE_CHUNK_OVERHEAD,
    BLOCKS_MAX       = 1024, /* per worker */
    INPUT_BUFFERS    = 128,  /* per worker, 4 KiB each */
    CONNECTIONS_MAX  = 4096, /* default limit per worker */
    REFUSED_AT_ONCE  = 64,   /* extra links, for those being refused */
    SILENCE_LIMIT_S  = 60,
    ANSWERS_MAX      = 64,   /* per worker: answers with objects, of 961 KiB at most */
    REQUESTS_PENDING = 2,    /* per connection: one whose patch is being made, and one more */
    ANNOUNCED_MAX    = 64,   /* snapshots whose objects were not requested yet */
    PUSHERS_MAX      = 64,   /* connections for --push */
    PUSH_ASKED       = 4,    /* requests to a sender, and a Ping */
    COUNTED          = -1    /* announced.outcome */
};

typedef struct worker     worker;
typedef struct server     server;

typedef struct connection {
    struct connection *next, *previous;
    dxup_guest         guest;
    worker            *worker;
    dx_link_id         id;
    dx_hbtp_session   *session;
    dxup_log_entry    *log;        /* NULL: no log */

    /* the transfer */
    bool              waiting;     /* for a patch from base to target */
    bool              active;      /* at..size is unsent */
    uint16_t          sequence;    /* of the request */
    uint32_t          transfer;    /* number of the transfer, in its chunks */
    versions_version  base;
    bool              known;  /* the base is what the client has */
    versions_version  target;
    dxup_patch        patch;       /* the source of the bytes: a patch in memory, or its plan */
    versions_content *content;     /* the target, if it is sent in full or a plan copies from it */
    dxup_plan_cursor  cursor;      /* position in the plan */
    uint64_t          at;
    uint64_t          size;
    bool              ranges;      /* the client requests ranges of a large transfer, */
    unsigned          kinds;       /* containers that the client supports; patches may be between these */
    bool              objects;     /* or the objects of a file without a patch */
    bool              silent;      /* no data follows the reply: the client requests the rest */
    uint64_t          from;        /* start of the requested range */
    uint64_t          range;       /* its size; 0: all */
    uint8_t          *answer;      /* the requested objects; then nothing else is sent */
    bool              of_file;     /* waiting for the patch of a file of a snapshot, of this request */
    dxup_whole_request whole;
    int               synced_outcome; /* of the pull whose objects it fetches, or COUNTED */
    uint64_t          synced_size; /* of the version whose objects it fetches; 0: unknown */
    uint64_t          synced_sent; /* bytes of these objects so far */
    dxup_incoming    *incoming;    /* a version that arrives on it */
} connection;

struct worker {
    server         *server;
    pthread_t       thread;
    dx_reactor      reactor;
    void           *reactor_memory;
    dx_op           message_op;
    dx_op           close_op; /* for the listener */
    dx_link         links;
    void           *links_memory;
    int             listener;
    versions_store *store;
    dxup_bundler   *bundler;
    size_t          answer_count; /* number of connections that send an answer */
    dx_hbtp_router  router;
    connection     *connections;
    size_t          connection_count;
    size_t          connections_max;
    dxup_guests    *guests;
    dxup_receiver  *receiver; /* it takes versions; NULL: it does not */
    bool            pushes;   /* it shall */
    dx_op           second_op;
    int             status;
    bool            draining;
    bool            open; /* guarded by server.lock: messages may be posted, */
    bool            look; /* and the next one means: another store, or another network_max */
    dx_reactor_message messages[16];
};

/* A snapshot that was sent to a client as a reply. The client fetches the objects over another
   connection, to any worker, and requests the root first: this identifies the version that the
   connection fetches. */
typedef struct announced {
    versions_version version; /* size 0: free */
    versions_version base;    /* the client's; version 0: unknown */
    int      outcome;         /* of the pull, if it is not counted yet; otherwise COUNTED */
} announced;

struct server {
    const dxup_options *o;
    announced           announced[ANNOUNCED_MAX]; /* guarded by lock; the oldest is overwritten */
    uint64_t            announced_next;
    dxup_patches       *patches;
    dxup_http          *http; /* NULL: not requested; guarded by lock */
    dxup_http          *status; /* the same, for --status */
    dxup_metrics        metrics;
    dxup_logger        *log; /* NULL: not requested */
    unsigned            worker_count; /* the last one is for --push, if that is given */
    dx_reactor_address  push_address;
    worker             *workers;
    bool                ending; /* guarded by lock */
    size_t              network_max; /* the same: connections per network and worker */
    pthread_mutex_t     lock;
    sem_t               started;
};

/* >>transfer ----------------------------------------------------------- */
/* A complete request has arrived. If a part of the next one follows, on_partial() is called. */
static void heard(connection *c)
{
    if (c->guest.kind == DXUP_GUEST_SILENT)
        dxup_guests_set(c->worker->guests, &c->guest, DXUP_GUEST_HEARD, prog_now_ns());
}

static void end_transfer(connection *c)
{
    c->guest.busy = false;
    dxup_patches_release(c->worker->server->patches, &c->patch);
    versions_content_close(c->content);
    c->content = NULL;
    if (c->active) dxup_count_down(&c->worker->server->metrics.transfers);
    if (c->answer) c->worker->answer_count--;
    free(c->answer);
    c->answer = NULL;
    c->active = c->waiting = false;
}

/* >>log: additions to the counters ------------------------------------------ */
static dxup_logger *log_of(const connection *c) { return c->worker->server->log; }

/* A request was handled with this result. It is logged now, or when its transfer ends. */
static void log_handled(connection *c, int result)
{
    if (result == DX_HBTP_LATER) return;
    if (result) dxup_log_end(log_of(c), c->log, "refused", result > 0 ? result : 0);
    else if (!c->active && !(c->log && c->log->several)) dxup_log_end(log_of(c), c->log, NULL, 0);
}

/* A transfer has ended or was interrupted. If it is one of several requests, the next may follow. */
static void log_transferred(connection *c, bool whole)
{
    if (!whole) dxup_log_end(log_of(c), c->log, "damaged", 0);
    else if (c->log && !c->log->several) dxup_log_end(log_of(c), c->log, NULL, 0);
}

/* Count a pull by its outcome. */
static void count_pull(const connection *c, int outcome, uint64_t wire_size)
{
    dxup_metrics *m = &c->worker->server->metrics;
    dxup_count(&m->pulls[outcome], 1);
    if (wire_size < c->target.size) dxup_count(&m->spared, c->target.size - wire_size);
}

static void log_outcome(connection *c, int outcome)
{
    static const char *const names[] = {[DXUP_UNCHANGED] = "unchanged", [DXUP_PATCHED] = "patch",
                                        [DXUP_FULL] = "full", [DXUP_SYNCED] = "objects"};
    if (!c->log || c->log->several) return;
    dxup_log_versions(c->log, c->known ? &c->base : NULL, &c->target);
    dxup_log_result(c->log, names[outcome]);
}

/* Must the client request ranges or objects for this reply? */
static bool is_silent(const connection *c, int outcome, uint64_t wire_size)
{
    if (c->ranges && wire_size >= DXUP_RANGES_FROM) return true;
    return c->objects && outcome == DXUP_FULL && c->target.kind == PROG_FILE &&
           c->target.size >= DXUP_OBJECTS_FROM;
}

/* Write a reply: to a waiting request through the session, to others directly into the output. */
static int write_reply(connection *c, uint16_t sequence, const uint8_t *bytes, size_t size)
{
    return c->waiting ? dx_hbtp_reply(c->session, sequence, bytes, size)
                      : dx_hbtp_write_rpc_response(c->session->desc.out, sequence, bytes, size);
}

/* Send the reply of a pull; the reply of a range is empty. */
static int reply_outcome(connection *c, uint16_t sequence, int outcome, bool known_base,
                         uint64_t wire_size)
{
    assert(!c->active);
    uint8_t bytes[256];
    pull_reply_writer w;
    size_t size = 0;
    if (c->range) /* the client knows the rest from the reply to its pull */
        return write_reply(c, sequence, NULL, 0);
    c->silent = is_silent(c, outcome, wire_size);
    pull_reply_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    pull_reply_set_version(&w, c->target.version);
    pull_reply_set_size(&w, c->target.size);
    pull_reply_set_wire_size(&w, wire_size);
    pull_reply_set_time_ns(&w, c->target.time_ns);
    pull_reply_set_transfer(&w, c->silent ? 0 : ++c->transfer);
    pull_reply_set_mode(&w, (uint16_t)c->target.mode);
    pull_reply_set_kind(&w, (uint8_t)c->target.kind);
    pull_reply_set_outcome(&w, (uint8_t)outcome);
    pull_reply_set_known_base(&w, known_base);
    pull_reply_set_hash(&w, c->target.hash);
    int error = pull_reply_finish(&w, &size);
    if (error) return DX_HBTP_STATUS_INTERNAL;
    const bool synced = c->silent && c->objects && outcome == DXUP_FULL;
    error = write_reply(c, sequence, bytes, size);
    if (error) return error; /* a pull that was refused was not answered */
    log_outcome(c, outcome);
    if (synced) dxup_log_drop(c->log); /* on_sync() counts and logs it */
    else count_pull(c, outcome, wire_size);
    return 0;
}

/* Does the range lie within the transfer? Must be checked before the reply. */
static bool has_range(const connection *c, uint64_t size)
{
    return !c->range || (c->from <= size && c->range <= size - c->from);
}

/* Send the complete target. */
static int start_full(connection *c, uint16_t sequence, bool known_base)
{
    if (!has_range(c, c->target.size)) return DX_HBTP_STATUS_BAD_REQUEST;
    if (versions_content_open(&c->content, c->worker->store, &c->target))
        return DX_HBTP_STATUS_INTERNAL;
    int result = reply_outcome(c, sequence, DXUP_FULL, known_base, c->target.size);
    if (result) {
        end_transfer(c);
        return result;
    }
    c->size = c->target.size;
    return 0;
}

/* Send a patch, or the complete target if there is none; DX_HBTP_LATER while the patch
   is being made. */
static int start_from_base(connection *c, uint16_t sequence)
{
    dxup_patches *patches = c->worker->server->patches;
    const uint64_t size_max = c->worker->server->o->patch_max;
    if (c->objects && c->target.kind == PROG_FILE &&
        (c->base.size > size_max || c->target.size > size_max))
        return start_full(c, sequence, c->known); /* objects are smaller than new chunks */
    switch (dxup_patches_get(patches, &c->base, &c->target, c->kinds, &c->patch)) {
    case DXUP_PATCH_PENDING: return DX_HBTP_LATER;
    case DXUP_PATCH_NONE: return start_full(c, sequence, c->known);
    case DXUP_PATCH_READY: break;
    }
    memset(&c->cursor, 0, sizeof c->cursor);
    int result = 0;
    if (!has_range(c, c->patch.size))
        result = DX_HBTP_STATUS_BAD_REQUEST;
    else if (c->patch.plan && versions_content_open(&c->content, c->worker->store, &c->target))
        result = DX_HBTP_STATUS_INTERNAL;
    if (!result) result = reply_outcome(c, sequence, DXUP_PATCHED, c->known, c->patch.size);
    /* A plan can only be read from its start: skip the bytes before the range. */
    if (!result && c->patch.plan && c->range &&
        dxup_plan_read(c->patch.plan, &c->cursor, c->content, NULL, (size_t)c->from))
        result = DX_HBTP_STATUS_INTERNAL;
    c->size = c->patch.size;
    if (result) end_transfer(c);
    return result;
}

/* Turn the result of start_full() or start_from_base() into that of a handler: 0 and an active
   transfer, an RPC error, or DX_HBTP_LATER. */
static int begin_transfer(connection *c, int result)
{
    if (result) return result;
    assert(!c->active);
    c->at = c->from;
    c->active = c->guest.busy = true;
    c->waiting = false;
    dxup_count(&c->worker->server->metrics.transfers, 1);
    if (c->range) c->size = c->from + c->range;
    else if (c->silent) end_transfer(c);
    if (c->active) (void)dx_link_call_writable(&c->worker->links, c->id); /* after the reply */
    return 0;
}

/* A future client may not support our version of HBTP: advise it to install the same dxup. */
static int on_hello(const dx_hbtp_context *context)
{
    static const char advice[] = "this is " DXUP_AGENT "; install the same dxup on both sides";
    enum { TAG_VERSIONS = 1, VERSION_MAX = 2 }; /* docs/formats/hbtp.md */
    connection *c = context->session->desc.user;
    const uint8_t *list = context->payload, *versions;
    size_t left = context->payload_size;
    uint8_t tag;
    const int size = dx_hbtp_next_field(&list, &left, &tag, &versions);
    if (size < 2 || tag != TAG_VERSIONS || versions[0] <= VERSION_MAX)
        return dx_hbtp_hello_handler(context);
    int error = dx_hbtp_write_rpc_error(context->out, context->frame->sequence,
                                        DX_HBTP_STATUS_OTHER_VERSION, advice);
    (void)dx_link_close(&c->worker->links, c->id, DX_HBTP_STATUS_OTHER_VERSION, advice);
    return error;
}

/* Parse NAME or NAME@VERSION of a request; without a version it is 0, the latest. False: invalid. */
static bool copy_name(dx_teleport_string text, char name[PROG_NAME_SIZE_MAX + 1],
                      uint64_t *version)
{
    char asked[PROG_NAME_SIZE_MAX + 1];
    if (!text.size || text.size > PROG_NAME_SIZE_MAX || memchr(text.data, 0, text.size))
        return false;
    memcpy(asked, text.data, text.size);
    asked[text.size] = 0;
    versions_split_version(asked, name, version);
    return true;
}

/* Handle a pull: find the version that the client has and the one it wants. */
static int on_pull(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    uint16_t sequence = context->frame->sequence;
    uint8_t have[PROG_HASH_SIZE];
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    pull_request_view v;
    if (pull_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (!copy_name(pull_request_get_name(&v), name, &version)) return DX_HBTP_STATUS_BAD_REQUEST;
    if (c->active || c->waiting) return 409;
    c->from = c->range = 0;
    dxup_log_name(c->log, name, version);
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    int status = versions_content_find(w->store, name, version, &c->target);
    if (status)
        return status == PROG_NOT_FOUND ? DX_HBTP_STATUS_NOT_FOUND : DX_HBTP_STATUS_INTERNAL;
    uint32_t flags = pull_request_get_flags(&v);
    c->ranges = flags & DXUP_RANGES;
    c->objects = flags & DXUP_OBJECTS;
    c->kinds = dxup_patches_kinds(flags);
    pull_request_copy_have(&v, 0, have, sizeof have);
    bool known = flags & DXUP_HAVE && !versions_content_find_hash(w->store, name, have, &c->base);
    c->known = known;
    if (flags & DXUP_HAVE && !known) dxup_log_unknown(c->log, have);
    if (known && !memcmp(c->base.hash, c->target.hash, PROG_HASH_SIZE) &&
        c->base.kind == c->target.kind)
        return reply_outcome(c, sequence, DXUP_UNCHANGED, true, 0);
    assert(!c->active && !c->waiting);
    if (!known || c->base.kind != c->target.kind)
        return begin_transfer(c, start_full(c, sequence, known));
    int result = begin_transfer(c, start_from_base(c, sequence));
    c->waiting = result == DX_HBTP_LATER;
    c->sequence = sequence;
    return result;
}

/* Handle a request and its log entry. A request in progress keeps its own entry. */
static int handle(const dx_hbtp_context *context, dx_hbtp_handler_fn *handler,
                  const char *request, bool several)
{
    connection *c = context->session->desc.user;
    const bool idle = !c->active && !c->waiting;
    if (idle) dxup_log_begin(log_of(c), c->log, request, several);
    const int result = handler(context);
    if (idle) log_handled(c, result);
    return result;
}

static int on_pull_counted(const dx_hbtp_context *context)
{
    const connection *c = context->session->desc.user;
    const int result = handle(context, on_pull, "pull", false);
    if (result >= DX_HBTP_STATUS_BAD_REQUEST) dxup_count(&c->worker->server->metrics.refused, 1);
    return result;
}

/* Send the details of a version, as a patch from those that the client has. Without these, as a
   patch from an empty base, for its compression. */
static int start_details(connection *c, const char *name, uint64_t base, const uint8_t *have)
{
    worker *w = c->worker;
    bool known = base && !versions_version_find(w->store, name, base, &c->base) &&
                 c->base.snapshot && !versions_content_details(w->store, &c->base) &&
                 !memcmp(c->base.hash, have, PROG_HASH_SIZE);
    if (versions_content_details(w->store, &c->target)) return DX_HBTP_STATUS_INTERNAL;
    if (known && !memcmp(c->target.hash, have, PROG_HASH_SIZE))
        return reply_outcome(c, c->sequence, DXUP_UNCHANGED, true, 0);
    if (!known) {
        dx_cas_id nothing;
        dx_cas_hash("", 0, &nothing);
        c->base = c->target;
        c->base.size = 0;
        memcpy(c->base.hash, nothing.bytes, PROG_HASH_SIZE);
    }
    c->known = known;
    int result = begin_transfer(c, start_from_base(c, c->sequence));
    c->waiting = result == DX_HBTP_LATER;
    return result;
}

static int on_details_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    uint8_t target[PROG_HASH_SIZE], have[PROG_HASH_SIZE];
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    range_request_view v;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    if (range_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (!copy_name(range_request_get_name(&v), name, &version)) return DX_HBTP_STATUS_BAD_REQUEST;
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    range_request_copy_target(&v, 0, target, sizeof target);
    range_request_copy_have(&v, 0, have, sizeof have);
    int status = versions_content_find(w->store, name, version, &c->target);
    if (!status && memcmp(c->target.hash, target, sizeof target) != 0)
        status = versions_content_find_hash(w->store, name, target, &c->target);
    if (status || !c->target.snapshot) return DX_HBTP_STATUS_NOT_FOUND;
    c->from = c->range = 0;
    c->ranges = c->objects = false;
    c->kinds = 0;
    c->sequence = context->frame->sequence;
    dxup_log_versions(c->log, NULL, &c->target);
    return start_details(c, name, range_request_get_offset(&v), have);
}

static int on_details(const dx_hbtp_context *context)
{
    return handle(context, on_details_asked, "details", true);
}

/* Send a range of a version or patch that a pull announced. While one is sent, the next request
   waits in the input. */
static int on_range_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    uint8_t target[PROG_HASH_SIZE], have[PROG_HASH_SIZE];
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    range_request_view v;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    if (range_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (!copy_name(range_request_get_name(&v), name, &version) || !range_request_get_size(&v))
        return DX_HBTP_STATUS_BAD_REQUEST;
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    range_request_copy_target(&v, 0, target, sizeof target);
    range_request_copy_have(&v, 0, have, sizeof have);
    uint32_t flags = range_request_get_flags(&v);
    bool patched = flags & DXUP_RANGES;
    if (versions_content_find_hash(w->store, name, target, &c->target) ||
        (patched && versions_content_find_hash(w->store, name, have, &c->base)))
        return DX_HBTP_STATUS_NOT_FOUND;
    c->known = patched;
    dxup_log_versions(c->log, patched ? &c->base : NULL, &c->target);
    c->objects = c->silent = false;
    c->kinds = dxup_patches_kinds(flags);
    c->from = range_request_get_offset(&v);
    c->range = range_request_get_size(&v);
    c->sequence = context->frame->sequence;
    int result = begin_transfer(c, patched ? start_from_base(c, c->sequence)
                                           : start_full(c, c->sequence, false));
    c->transfer = range_request_get_transfer(&v);
    c->waiting = result == DX_HBTP_LATER;
    return result;
}

static int on_range(const dx_hbtp_context *context)
{
    return handle(context, on_range_asked, "ranges", true);
}

/* >>objects: docs/formats/sync.md ------------------------------------------ */
/* Count a pull of objects by its outcome, once. The lock is held. */
static void count_announced(server *s, announced *a)
{
    if (a->outcome != COUNTED) dxup_count(&s->metrics.pulls[a->outcome], 1);
    a->outcome = COUNTED;
}

/* The pull is counted when the connection that fetches its objects ends, and is not refused until then.
   If there is none, because the client has them all: when the announcement is overwritten. */
static void announce(server *s, const versions_version *v, const versions_version *base)
{
    pthread_mutex_lock(&s->lock);
    announced *a = &s->announced[s->announced_next++ % ANNOUNCED_MAX];
    if (s->announced_next > ANNOUNCED_MAX) count_announced(s, a);
    a->version = *v;
    a->base.version = 0;
    if (base) a->base = *base;
    a->outcome = base ? DXUP_PATCHED : DXUP_FULL;
    pthread_mutex_unlock(&s->lock);
}

/* The connection ends, or fetches for another pull: count its pull. */
static void end_announced(connection *c)
{
    if (c->synced_outcome != COUNTED)
        dxup_count(&c->worker->server->metrics.pulls[c->synced_outcome], 1);
    c->synced_outcome = COUNTED;
}

/* The size of the version whose root is requested, once for each client that it was announced to;
   0: it was not announced. *outcome: to be counted at the end. */
static uint64_t check_announced(server *s, const dxup_bundle_request *request, int *outcome,
                                dxup_log_entry *log)
{
    uint64_t size = 0;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; !size && request->want_count && i < ANNOUNCED_MAX; i++) {
        announced *a = &s->announced[i];
        const versions_version *v = &a->version;
        if (!v->size || memcmp(v->root, request->ids[0], sizeof v->root) != 0) continue;
        dxup_log_versions(log, a->base.version ? &a->base : NULL, v);
        size = v->size;
        a->version.size = 0;
        *outcome = a->outcome;
        a->outcome = COUNTED;
    }
    pthread_mutex_unlock(&s->lock);
    return size;
}

/* The connection ends: count the bytes not sent. A client that has all objects sends no more
   requests; an interrupted one waits for an answer, and is not counted. */
static void count_synced(const connection *c)
{
    if (c->active || c->synced_size <= c->synced_sent) return;
    dxup_count(&c->worker->server->metrics.spared, c->synced_size - c->synced_sent);
}

/* Is the version sent as objects? *level: that of the root of a file. */
static int find_root(versions_store *s, const versions_version *v, uint32_t flags, uint8_t *level)
{
    *level = 0;
    if (v->snapshot) return PROG_OK;
    if (!(flags & DXUP_OBJECTS) || v->kind != PROG_FILE || v->size < DXUP_OBJECTS_FROM)
        return PROG_NOT_FOUND;
    return versions_content_level(s, v, level);
}

/* Find the snapshot of a version. If it is stored as a stream, the client pulls it with on_pull(). */
static int on_sync_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    uint8_t have[PROG_HASH_SIZE], bytes[256];
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    versions_version base;
    sync_request_view v;
    sync_reply_writer reply;
    size_t size = 0;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    if (sync_request_open_bare(&v, context->payload, context->payload_size, DXUP_WIRE_VERSION) ||
        !copy_name(sync_request_get_name(&v), name, &version))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    if (sync_request_get_version(&v)) version = sync_request_get_version(&v);
    const uint32_t flags = sync_request_get_flags(&v);
    uint8_t level = 0;
    dxup_log_name(c->log, name, version);
    int status = versions_content_find(w->store, name, version, &c->target);
    if (!status) status = find_root(w->store, &c->target, flags, &level);
    if (status == PROG_NOT_FOUND) dxup_log_drop(c->log); /* the client pulls instead; that is logged */
    if (status)
        return status == PROG_NOT_FOUND ? DX_HBTP_STATUS_NOT_FOUND : DX_HBTP_STATUS_INTERNAL;
    sync_request_copy_have(&v, 0, have, sizeof have);
    bool known = flags & DXUP_HAVE &&
                 !versions_content_find_hash(w->store, name, have, &base);
    bool same = known && base.kind == c->target.kind &&
                !memcmp(base.hash, c->target.hash, PROG_HASH_SIZE);
    if (flags & DXUP_HAVE && !known) dxup_log_unknown(c->log, have);
    dxup_log_versions(c->log, known ? &base : NULL, &c->target);
    dxup_log_result(c->log, same ? "unchanged" : "objects");
    sync_reply_begin(&reply, bytes, sizeof bytes, DX_TELEPORT_BARE);
    sync_reply_set_version(&reply, c->target.version);
    sync_reply_set_size(&reply, c->target.size);
    sync_reply_set_mode(&reply, (uint16_t)c->target.mode);
    sync_reply_set_outcome(&reply, same ? DXUP_UNCHANGED : DXUP_SYNCED);
    sync_reply_set_known_base(&reply, known);
    sync_reply_set_hash(&reply, c->target.hash);
    sync_reply_set_root(&reply, c->target.root);
    if (flags & DXUP_OBJECTS) { /* older clients expect zeros */
        sync_reply_set_kind(&reply, (uint8_t)c->target.kind);
        sync_reply_set_level(&reply, level);
    }
    unsigned features = flags & DXUP_SIZE_ONLY ? DXUP_SIZES : 0;
    if (flags & DXUP_CONTAINERS && c->target.snapshot && dxup_patches_kinds(flags))
        features |= DXUP_WHOLES;
    sync_reply_set_features(&reply, (uint8_t)features);
    if (sync_reply_finish(&reply, &size)) return DX_HBTP_STATUS_INTERNAL;
    status = dx_hbtp_write_rpc_response(c->session->desc.out, context->frame->sequence, bytes, size);
    if (status) return status;
    if (same) count_pull(c, DXUP_UNCHANGED, 0);
    else announce(w->server, &c->target, known ? &base : NULL);
    return status;
}

static int on_sync(const dx_hbtp_context *context)
{
    const connection *c = context->session->desc.user;
    const int result = handle(context, on_sync_asked, "pull", false);
    if (result >= DX_HBTP_STATUS_BAD_REQUEST && result != DX_HBTP_STATUS_NOT_FOUND) /* see on_pull() */
        dxup_count(&c->worker->server->metrics.refused, 1);
    return result;
}

/* c->answer is complete: reply, and begin to send it. */
static int send_answer(connection *c, uint16_t sequence, uint32_t transfer, size_t size)
{
    assert(c->answer && size);
    c->worker->answer_count++;
    c->from = c->range = 0;
    c->ranges = c->objects = c->silent = false;
    c->size = size;
    c->transfer = transfer;
    int result = dx_hbtp_write_rpc_response(c->session->desc.out, sequence, NULL, 0);
    if (result) end_transfer(c);
    return begin_transfer(c, result);
}

/* The store is damaged: the pull was refused, however much of it was sent before. */
static int refuse_objects(connection *c)
{
    dxup_metrics *m = &c->worker->server->metrics;
    dxup_count(c->synced_outcome != COUNTED ? &m->refused : &m->damaged, 1);
    c->synced_outcome = COUNTED;
    c->synced_size = 0; /* nothing was spared */
    return DX_HBTP_STATUS_INTERNAL;
}

/* Send objects by their ids, in one answer. */
static int on_objects_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    dxup_bundle_request request;
    size_t size = 0;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    if (!dxup_bundle_read_request(&request, context->payload, context->payload_size))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (w->answer_count >= ANSWERS_MAX) return DX_HBTP_STATUS_UNAVAILABLE;
    const bool good = !versions_store_refresh(&w->store) &&
                      !dxup_bundle_make(w->bundler, w->store, &request, &c->answer, &size);
    if (!c->synced_size)
        c->synced_size = check_announced(w->server, &request, &c->synced_outcome, c->log);
    if (!good) return refuse_objects(c);
    if (request.size_only) dxup_bundle_reduce(c->answer, &size);
    c->synced_sent += size;
    return send_answer(c, context->frame->sequence, request.transfer, size);
}

static int on_objects(const dx_hbtp_context *context)
{
    return handle(context, on_objects_asked, "objects", true);
}

/* Send the patch of a file, if it is smaller than the limit; DX_HBTP_LATER while it is being made. */
static int start_file(connection *c, uint16_t sequence)
{
    const dxup_whole_request *r = &c->whole;
    dxup_patches *patches = c->worker->server->patches;
    uint8_t reply[DXUP_WHOLE_REPLY_MAX];
    enum dxup_patch_answer answer = DXUP_PATCH_NONE;
    if (c->kinds)
        answer = dxup_patches_get_file(patches, c->worker->store, &r->old, &r->file, c->kinds, &c->patch);
    if (answer == DXUP_PATCH_PENDING) return DX_HBTP_LATER;
    const bool fits = answer == DXUP_PATCH_READY && c->patch.size < r->limit;
    c->size = fits ? c->patch.size : 0;
    c->silent = !fits || r->size_only;
    c->transfer = r->transfer;
    if (!c->silent) c->synced_sent += c->size;
    const size_t size = dxup_whole_write_reply(c->size, reply);
    const int result = write_reply(c, sequence, reply, size);
    if (result) end_transfer(c);
    return result;
}

static int on_file_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    if (!dxup_whole_read_request(&c->whole, context->payload, context->payload_size))
        return DX_HBTP_STATUS_BAD_REQUEST;
    heard(c);
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    c->from = c->range = 0;
    c->ranges = c->objects = false;
    c->kinds = c->whole.kinds & container_kinds();
    c->sequence = context->frame->sequence;
    const int result = begin_transfer(c, start_file(c, c->sequence));
    c->waiting = c->of_file = result == DX_HBTP_LATER;
    return result;
}

static int on_file(const dx_hbtp_context *context)
{
    return handle(context, on_file_asked, "objects", true);
}

/* Send the list of names, or the versions of one. */
static int on_names_asked(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    worker *w = c->worker;
    size_t size = 0;
    if (c->active || c->waiting) return DX_HBTP_EAGAIN;
    heard(c);
    if (w->answer_count >= ANSWERS_MAX) return DX_HBTP_STATUS_UNAVAILABLE;
    if (versions_store_refresh(&w->store)) return DX_HBTP_STATUS_INTERNAL;
    const int status = dxup_names_make(w->store, context->payload, context->payload_size,
                                       &c->answer, &size);
    if (status == PROG_USAGE) return DX_HBTP_STATUS_BAD_REQUEST;
    if (status)
        return status == PROG_NOT_FOUND ? DX_HBTP_STATUS_NOT_FOUND : DX_HBTP_STATUS_INTERNAL;
    return send_answer(c, context->frame->sequence, DXUP_NAMES_TRANSFER, size);
}

static int on_names(const dx_hbtp_context *context)
{
    return handle(context, on_names_asked, "names", false);
}

/* >>push: docs/formats/push.md ------------------------------------------- */
static int on_lease(const dx_hbtp_context *context)
{
    connection *c = context->session->desc.user;
    heard(c);
    return dxup_receive_lease(c->worker->receiver, context);
}

static int on_offer_made(const dx_hbtp_context *context)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    connection *c = context->session->desc.user;
    if (c->active || c->waiting || c->incoming) return DX_HBTP_EAGAIN;
    heard(c);
    const int result = dxup_receive_offer(c->worker->receiver, context, &c->incoming, name, &version);
    dxup_log_name(c->log, name, version);
    dxup_log_result(c->log, "received");
    c->guest.busy = c->incoming != NULL;
    return result;
}

static int on_offer(const dx_hbtp_context *context)
{
    return handle(context, on_offer_made, "push", false);
}

/* The version that arrived is complete, or was refused. */
static void end_incoming(connection *c, int status)
{
    if (status < 0) return;
    dxup_receive_end(c->incoming);
    c->incoming = NULL;
    c->guest.busy = false;
    dxup_log_end(log_of(c), c->log, status ? "refused" : NULL, status);
    (void)dx_link_wake(&c->worker->links, c->id);
}

static int on_pushed_chunk(const dx_hbtp_context *context)
{
    int status;
    connection *c = context->session->desc.user;
    if (!c->incoming) return 0; /* of a version that was refused */
    heard(c);
    dxup_receive_chunk(c->incoming, context->frame, &status);
    end_incoming(c, status);
    return 0;
}

static void on_pushed_result(dx_hbtp_session *session, const dx_hbtp_result *result)
{
    int status;
    connection *c = session->desc.user;
    if (!c || !c->incoming) return;
    dxup_receive_result(c->incoming, result, &status);
    end_incoming(c, status);
}

static void on_second(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    worker *w = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    dxup_receiver_tick(w->receiver);
    for (connection *c = w->connections, *next; c; c = next) {
        next = c->next;
        if (c->incoming && dxup_receive_stalls(c->incoming)) (void)dx_link_abort(&w->links, c->id);
    }
    dx_reactor_timer(r, op, 1000000000);
}

/* A patch has become ready; check whether c waits for it. */
static void retry_waiting(connection *c)
{
    assert(c->waiting);
    const bool of_file = c->of_file;
    int result = begin_transfer(c, of_file ? start_file(c, c->sequence)
                                           : start_from_base(c, c->sequence));
    if (result == DX_HBTP_LATER) return;
    c->waiting = c->of_file = false;
    log_handled(c, result);
    if (result >= DX_HBTP_STATUS_BAD_REQUEST && !c->range && !of_file)
        dxup_count(&c->worker->server->metrics.refused, 1);
    if (result > 0) dx_hbtp_reply_error(c->session, c->sequence, (uint16_t)result, NULL);
    else if (result < 0) (void)dx_link_abort(&c->worker->links, c->id);
    if (!c->active) (void)dx_link_wake(&c->worker->links, c->id); /* the next request may have arrived */
}

/* Read the next bytes of the transfer. */
static int read_piece(connection *c, void *out, size_t size)
{
    assert(size <= c->size - c->at);
    if (c->answer) {
        memcpy(out, c->answer + c->at, size);
        return PROG_OK;
    }
    if (c->patch.plan) return dxup_plan_read(c->patch.plan, &c->cursor, c->content, out, size);
    if (c->content) return versions_content_read(c->content, c->at, out, size);
    memcpy(out, c->patch.bytes + c->at, size);
    return PROG_OK;
}

/* The data size of the next chunk, limited by the maximum that the client announced. */
static size_t next_size(const connection *c)
{
    const uint32_t payload_max = c->session->peer.payload_max;
    uint64_t size = c->size - c->at;
    assert(c->at <= c->size);
    if (size > PIECE_SIZE) size = PIECE_SIZE;
    if (payload_max && size > payload_max - DX_HBTP_FILE_CHUNK_PREFIX)
        size = payload_max - DX_HBTP_FILE_CHUNK_PREFIX;
    return (size_t)size;
}

/* Send the next pieces; on_writable() continues when there is space. */
static void fill(connection *c)
{
    dx_link *l = &c->worker->links;
    while (c->active) {
        dx_hbtp_out out;
        const size_t n = next_size(c);
        if (dx_link_reserve(l, c->id, (uint32_t)n + DX_HBTP_FILE_CHUNK_OVERHEAD, &out)) return;
        uint8_t *data = dx_hbtp_out_next(&out) + DX_HBTP_FILE_CHUNK_PREFIX;
        const bool final = c->at + n == c->size;
        dx_hbtp_file_chunk chunk = {c->transfer, c->at, data, (uint32_t)n, final};
        const bool good = !read_piece(c, data, n);
        if (good) (void)dx_hbtp_write_file_chunk(&out, c->sequence, &chunk);
        if (good) dxup_count(&c->worker->server->metrics.sent, n);
        if (good) dxup_log_sent(c->log, n);
        (void)dx_link_commit(l, c->id, &out);
        c->at += n;
        if (!good || final) end_transfer(c);
        if (!good || final) log_transferred(c, good);
        if (!good) dxup_count(&c->worker->server->metrics.damaged, 1);
        if (!good) { /* the store is damaged: close, so that the client does not wait */
            (void)dx_link_close(l, c->id, DX_HBTP_STATUS_INTERNAL, "the store is damaged");
        } else if (final) { /* the next request may have arrived meanwhile */
            (void)dx_link_wake(l, c->id);
        }
    }
}

/* >>connection --------------------------------------------------------- */
/* Admit a connection; at a limit, a silent one is closed to make room (net/guests.h). If that
   fails, or memory is exhausted, the new one is closed at once: its client continues with its
   other connections. */
static void on_opened(dx_link *l, dx_link_id id)
{
    worker *w = l->desc.user;
    connection *c = malloc(sizeof *c);
    dxup_guest *leaves = NULL;
    if (c) memset(c, 0, sizeof *c);
    if (!c || !dxup_guests_enter(w->guests, &c->guest, dx_link_fd(l, id), prog_now_ns(),
                                 &leaves)) {
        free(c);
        (void)dx_link_abort(l, id);
        return;
    }
    if (leaves)
        (void)dx_link_abort(l, ((connection *)((char *)leaves - offsetof(connection, guest)))->id);
    c->worker = w;
    c->synced_outcome = COUNTED;
    c->id = id;
    c->log = dxup_log_entry_open(w->server->log, dx_link_fd(l, id));
    c->session = dx_link_session(l, id);
    c->session->desc.user = c;
    c->next = w->connections;
    if (c->next) c->next->previous = c;
    w->connections = c;
    w->connection_count++;
    dxup_count(&w->server->metrics.connections, 1);
    dxup_count(&w->server->metrics.connected, 1);
}

/* A part of a request has arrived, or its remainder. */
static void on_partial(dx_link *l, dx_link_id id, bool begun)
{
    connection *c = dx_link_session(l, id)->desc.user;
    if (!c) return; /* refused: over the limit */
    c->guest.busy = c->active || c->waiting;
    dxup_guests_set(c->worker->guests, &c->guest, begun ? DXUP_GUEST_HALF : DXUP_GUEST_HEARD,
                    prog_now_ns());
}

static void on_writable(dx_link *l, dx_link_id id)
{
    fill(dx_link_session(l, id)->desc.user);
}

/* Called by a drain, whose links know of the request but not of the transfer after the reply. */
static bool is_busy(dx_link *l, dx_link_id id)
{
    const connection *c = dx_link_session(l, id)->desc.user;
    return c && c->active;
}

/* The same for a pull of objects: once some were sent, further requests are expected, and all are
   finished. The client closes the connection when it has everything. */
static bool is_unfinished(dx_link *l, dx_link_id id)
{
    const connection *c = dx_link_session(l, id)->desc.user;
    return c && c->synced_sent > 0;
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    worker *w = l->desc.user;
    connection *c = dx_link_session(l, id)->desc.user;
    (void)reason;
    if (!c) return; /* refused: over the limit */
    if (c->previous) c->previous->next = c->next;
    else w->connections = c->next;
    if (c->next) c->next->previous = c->previous;
    assert(w->connection_count > 0);
    w->connection_count--;
    end_announced(c);
    count_synced(c);
    const bool arrived = c->incoming != NULL;
    if (arrived) dxup_receive_end(c->incoming);
    dxup_guests_leave(w->guests, &c->guest);
    dxup_log_end(log_of(c), c->log, c->active || c->waiting || arrived ? "cut" : NULL, 0);
    end_transfer(c);
    dxup_count_down(&w->server->metrics.connections); /* the last: then all of it is counted */
    free(c->log);
    free(c);
    if (w->draining && !w->connection_count) dx_reactor_stop(&w->reactor);
}

/* >>worker ------------------------------------------------------------- */
/* Finish open transfers. New connections are refused. */
static void drain(worker *w)
{
    assert(!w->draining && w->listener >= 0);
    w->draining = true;
    dx_link_drain(&w->links, (uint64_t)DXUP_DRAIN_S * 1000000000);
    if (!dx_reactor_close_fd(&w->reactor, &w->close_op, w->listener)) w->listener = -1;
    if (!w->connection_count) dx_reactor_stop(&w->reactor);
}

/* Handle messages from other threads: a patch is ready, another store may be at the
   path, or shutdown. */
static void on_message(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    worker *w = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    pthread_mutex_lock(&w->server->lock);
    const bool ends = w->server->ending && !w->draining, look = w->look;
    const size_t network = w->server->network_max;
    w->look = false;
    pthread_mutex_unlock(&w->server->lock);
    if (look) (void)versions_store_look_again(&w->store); /* open transfers keep the old store */
    if (look) dxup_guests_limit(w->guests, network);
    if (ends) drain(w);
    for (connection *c = w->connections, *next; c; c = next) {
        next = c->next;
        if (c->waiting && c->session->state != DX_HBTP_CLOSED) retry_waiting(c);
    }
    dx_reactor_receive(r, op, w->messages, sizeof w->messages / sizeof *w->messages);
}

/* Wake every worker. Called with the lock held. */
static void wake_workers(server *s)
{
    dx_reactor_message message = {{0, 0, 0}};
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].open)
            dx_reactor_post(&s->workers[i].reactor, &message); /* full: it will wake anyway */
}

/* Called on the patch thread. */
static void patch_ready(void *user)
{
    server *s = user;
    pthread_mutex_lock(&s->lock);
    wake_workers(s);
    dxup_http_ready(s->http);
    pthread_mutex_unlock(&s->lock);
}

/* Other threads post to a reactor only while it is open. */
static void set_open(worker *w, bool open)
{
    assert(w->open != open);
    pthread_mutex_lock(&w->server->lock);
    w->open = open;
    pthread_mutex_unlock(&w->server->lock);
}

/* Open the links and the listener. */
static int open_links(worker *w)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&w->router);
    dx_hbtp_router_set(&w->router, DX_HBTP_OP_HELLO, on_hello, (void *)&dxup_hello);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_PULL, on_pull_counted, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_RANGE, on_range, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_DETAILS, on_details, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_SYNC, on_sync, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_OBJECTS, on_objects, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_NAMES, on_names, NULL);
    dx_hbtp_router_set_method(&w->router, DXUP_RPC_WHOLE, on_file, NULL);
    if (w->receiver) {
        dx_hbtp_router_set_method(&w->router, DXUP_RPC_LEASE, on_lease, NULL);
        dx_hbtp_router_set_method(&w->router, DXUP_RPC_OFFER, on_offer, NULL);
        dx_hbtp_router_set(&w->router, DX_HBTP_OP_FILE_CHUNK, on_pushed_chunk, NULL);
        desc.session.on_result = on_pushed_result;
    }
    desc.links_max = (uint32_t)w->connections_max + REFUSED_AT_ONCE;
    desc.out_size = OUT_SIZE;
    desc.block_count = desc.links_max < BLOCKS_MAX / 2 ? 2 * desc.links_max : BLOCKS_MAX;
    desc.block_size = BLOCK_SIZE;
    desc.high_water = 2 * BLOCK_SIZE;
    desc.idle_ns = (uint64_t)SILENCE_LIMIT_S * 1000000000; /* waiting clients send Pings */
    desc.session.router = &w->router;
    desc.session.payload_max = w->receiver ? PIECE_SIZE : PAYLOAD_MAX;
    desc.session.outstanding_max = w->receiver ? PUSH_ASKED : 1;
    desc.session.pending_max = REQUESTS_PENDING;
    desc.session.keepalive_ns = UINT64_MAX;
    desc.opened = on_opened;
    desc.partial = on_partial;
    desc.writable = on_writable;
    desc.busy = is_busy;
    desc.unfinished = is_unfinished;
    desc.closed = on_closed;
    desc.user = w;
    int status = dxup_links_open(&w->links, &w->reactor, &desc, &w->links_memory);
    if (status) return status;
    int error = dx_link_listen(&w->links, w->listener);
    return error ? prog_fail(PROG_SYSTEM, "cannot listen: %s", dx_link_error_name(error)) : PROG_OK;
}

/* The life of a worker between opening and closing its reactor. */
static void serve_until_stopped(worker *w)
{
    dx_reactor_op_init(&w->message_op, on_message, w);
    dx_reactor_op_init(&w->close_op, NULL, NULL);
    w->status = open_links(w);
    dx_reactor_receive(&w->reactor, &w->message_op, w->messages,
                       sizeof w->messages / sizeof *w->messages);
    dx_reactor_op_init(&w->second_op, on_second, w);
    if (w->receiver) dx_reactor_timer(&w->reactor, &w->second_op, 1000000000);
    set_open(w, true);
    sem_post(&w->server->started);
    int error = w->status ? 0 : dx_reactor_run(&w->reactor);
    if (error)
        w->status = prog_fail(PROG_SYSTEM, "the event loop failed: %s", dx_reactor_error_name(error));
    set_open(w, false);
}

static size_t network_max(const dxup_options *o)
{
    return o->network_max ? o->network_max : DXUP_NETWORK_MAX;
}

/* The thread of a worker. The thread that opens a reactor owns it, so it also closes it. */
static void *run_worker(void *user)
{
    worker *w = user;
    dx_reactor_desc desc = {0};
    w->connections_max = w->server->o->connections ? w->server->o->connections : CONNECTIONS_MAX;
    if (w->pushes && w->connections_max > PUSHERS_MAX) w->connections_max = PUSHERS_MAX;
    if (w->pushes) w->receiver = dxup_receiver_open(w->server->o->store, &w->server->o->limits);
    w->guests = dxup_guests_open(w->connections_max, network_max(w->server->o));
    desc.descriptors_max = (uint32_t)w->connections_max + REFUSED_AT_ONCE + 16;
    desc.pending_max = 3 * desc.descriptors_max;
    desc.buffer_count = INPUT_BUFFERS;
    w->bundler = dxup_bundler_open();
    w->status = versions_store_open(&w->store, w->server->o->store, VERSIONS_READ);
    if (!w->status)
        w->status = dxup_loop_open(&w->reactor, &desc, w->server->o->backend, &w->reactor_memory);
    if (!w->status) {
        serve_until_stopped(w);
        dx_reactor_close(&w->reactor); /* on_closed() frees the connections */
        if (w->listener >= 0) os_close_socket(w->listener); /* else clients would queue there */
        w->listener = -1;
    } else {
        sem_post(&w->server->started);
    }
    dxup_receiver_close(w->receiver);
    versions_store_close(w->store);
    dxup_bundler_close(w->bundler);
    dxup_guests_close(w->guests);
    free(w->links_memory);
    free(w->reactor_memory);
    return NULL;
}

/* >>server ------------------------------------------------------------- */
/* Is it a unix socket? Only one worker listens on it, because the kernel does not distribute
   its connections. */
static bool is_local(const dxup_options *o)
{
    return o->address && strncmp(o->address, "unix:", 5) == 0;
}

static int check_origin(const dxup_options *o)
{
    if (!o->allow_origin || o->http) return PROG_OK;
    return prog_fail(PROG_USAGE, "--allow-origin needs --http HOST:PORT");
}

/* Open one listener per worker on the same port; the kernel distributes connections. The first
   listener binds without SO_REUSEPORT, which fails if the port is in use. Then the port is shared
   with the other workers. With the option from the start, another server of the same user could
   bind the port, and clients would get versions from either. */
static int listen_all(server *s, dx_reactor_address *address)
{
    dxup_addresses found;
    if (!s->o->address)
        return prog_fail(PROG_USAGE, "'serve' needs --listen HOST:PORT, such as --listen "
                                     "127.0.0.1:7000");
    int status = dxup_addresses_find_mine(&found, s->o->address, "--listen");
    if (status) return status;
    *address = found.list[0];
    const unsigned pullers = s->worker_count - (s->o->push != NULL);
    for (unsigned i = 0; i < pullers; i++) {
        dx_reactor_address bound;
        uint32_t flags = DX_REACTOR_NODELAY | (i > 0 ? DX_REACTOR_REUSEPORT : 0);
        if (dx_reactor_listen(NULL, address, flags, 0, &s->workers[i].listener, &bound) ||
            (i == 0 && pullers > 1 && os_share_port(s->workers[i].listener) < 0)) {
            errno = os_socket_errno();
            prog_fail_errno("%s: cannot listen", s->o->address);
            return PROG_SYSTEM;
        }
        *address = bound;
    }
    return PROG_OK;
}

/* The listener of the worker that takes versions: the last one. */
static int listen_for_pushes(server *s)
{
    dxup_addresses found;
    worker *w = &s->workers[s->worker_count - 1];
    if (!s->o->push) return PROG_OK;
    int status = dxup_addresses_find_mine(&found, s->o->push, "--push");
    if (status) return status;
    w->pushes = true;
    if (!dx_reactor_listen(NULL, &found.list[0], DX_REACTOR_NODELAY, 0, &w->listener, &s->push_address))
        return PROG_OK;
    errno = os_socket_errno();
    prog_fail_errno("%s: cannot listen", s->o->push);
    return PROG_SYSTEM;
}

/* Print the address, for scripts that wait for it. */
static void say_where(const server *s, const char *address)
{
    char push[DX_REACTOR_ADDRESS_TEXT_SIZE];
    if (s->o->push) dx_reactor_address_format(&s->push_address, push, sizeof push);
    const unsigned workers = s->worker_count - (s->o->push != NULL);
    if (s->o->json) {
        prog_json j;
        prog_json_begin(&j);
        prog_json_text(&j, "listening", address);
        if (s->http) prog_json_text(&j, "http", dxup_http_address(s->http));
        if (s->status) prog_json_text(&j, "status", dxup_http_address(s->status));
        if (s->o->push) prog_json_text(&j, "push", push);
        prog_json_number(&j, "workers", workers);
        prog_json_text(&j, "backend", dx_reactor_backend_name(&s->workers[0].reactor));
        prog_json_end(&j);
    } else {
        prog_say("listening on %s with %u %s on %s\n", address, workers,
                 workers == 1 ? "worker" : "workers",
                 dx_reactor_backend_name(&s->workers[0].reactor));
        if (s->o->push) prog_say("listening on %s for pushes\n", push);
        if (s->http) prog_say("listening on %s for HTTP\n", dxup_http_address(s->http));
        if (s->status) prog_say("listening on %s for status\n", dxup_http_address(s->status));
    }
    fflush(stdout);
}

/* >>reload ------------------------------------------------------------- */
static bool changes_now(const char *name)
{
    return !strcmp(name, "--allow-origin") || !strcmp(name, "--connections-per-address") ||
           !strcmp(name, "--log") || !strcmp(name, "--patch-max");
}

/* Warn of what only a restart changes: the difference to the options at the start. */
static void warn_of_rest(const dxup_options *old, const dxup_options *fresh)
{
    const char *path = old->config;
    for (size_t i = 0; i < dxup_program.option_count; i++) {
        const prog_option *o = &dxup_program.options[i];
        if (!prog_knows(o->commands, DXUP_SERVE) || changes_now(o->name)) continue;
        if (!prog_option_same(o, old, fresh))
            prog_warn("%s: %s has changed; it takes effect at the next start", path, o->name + 2);
    }
    if (strcmp(old->store, fresh->store) != 0)
        prog_warn("%s: store has changed; it takes effect at the next start", path);
    if (!old->log != !fresh->log)
        prog_warn("%s: a log is begun or ended at the next start only", path);
}

static void say_reloaded(const dxup_options *o)
{
    prog_json j;
    if (!o->json) {
        prog_say("reloaded %s\n", o->config);
    } else {
        prog_json_begin(&j);
        prog_json_text(&j, "reloaded", o->config);
        prog_json_end(&j);
    }
    fflush(stdout);
}

/* Read the configuration again: all of it, or nothing. The log is reopened in any case. */
static void reload(server *s)
{
    dxup_options fresh;
    int status = dxup_arguments_again(s->o, &fresh);
    if (!status) status = check_origin(&fresh);
    if (!status && !fresh.address) status = prog_fail(PROG_USAGE, "%s: listen is missing", s->o->config);
    if (!status && s->log && fresh.log) {
        status = dxup_log_move(s->log, fresh.log);
    } else {
        dxup_log_reopen(s->log);
    }
    if (!status) {
        warn_of_rest(s->o, &fresh);
        dxup_patches_limit(s->patches, fresh.patch_max);
        pthread_mutex_lock(&s->lock);
        s->network_max = network_max(&fresh);
        dxup_http_change(s->http, s->network_max, fresh.allow_origin);
        dxup_http_change(s->status, s->network_max, NULL);
        pthread_mutex_unlock(&s->lock);
        say_reloaded(s->o);
    } else {
        prog_warn("%s is not in force: the server keeps the values it had", s->o->config);
    }
    dxup_arguments_free(&fresh);
}

/* SIGHUP: the log was renamed, the store replaced, or the configuration changed. */
static void refresh(server *s)
{
    if (s->o->config) reload(s);
    else dxup_log_reopen(s->log);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->worker_count; i++) s->workers[i].look = true;
    wake_workers(s);
    dxup_http_refresh(s->http);
    dxup_http_refresh(s->status);
    pthread_mutex_unlock(&s->lock);
}

/* Start all workers, wait for the signal to end, and shut down. */
static int run_workers(server *s, const dx_reactor_address *address)
{
    assert(s->worker_count > 0);
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    int status = PROG_OK;
    unsigned running = 0;
    for (; running < s->worker_count; running++) {
        worker *w = &s->workers[running];
        if (pthread_create(&w->thread, NULL, run_worker, w)) break;
        /* The others start once the first one runs, so that an error in the store is reported once. */
        sem_wait(&s->started);
        if (w->status) {
            running++;
            break;
        }
    }
    for (unsigned i = 0; i < running; i++)
        if (!status) status = s->workers[i].status;
    if (!status && running < s->worker_count)
        status = prog_fail(PROG_SYSTEM, "cannot start %u threads", s->worker_count);
    if (!status) {
        dx_reactor_address_format(address, text, sizeof text);
        say_where(s, text);
        while (os_end_wait() == OS_HANGUP) refresh(s);
    }
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    wake_workers(s);
    dxup_http_end(s->http);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < running; i++) {
        pthread_join(s->workers[i].thread, NULL);
        if (!status) status = s->workers[i].status;
    }
    return status;
}

static void set_http(server *s, dxup_http *http)
{
    pthread_mutex_lock(&s->lock);
    s->http = http;
    pthread_mutex_unlock(&s->lock);
}

/* Run the requested listeners until the signal to end. */
static int serve_all(server *s, const dx_reactor_address *address)
{
    const dxup_options *o = s->o;
    dxup_http *http = NULL;
    int status = PROG_OK;
    dxup_http_desc desc = {.store = o->store, .address = o->http, .backend = o->backend,
                           .patches = s->patches, .metrics = &s->metrics,
                           .log = s->log, .network_max = network_max(o), .allow_origin = o->allow_origin};
    if (o->http) status = dxup_http_start(&http, &desc);
    set_http(s, http);
    desc.address = o->status;
    desc.allow_origin = NULL;
    desc.status = true;
    desc.log = NULL;
    if (!status && o->status) status = dxup_http_start(&s->status, &desc);
    if (!status) status = run_workers(s, address);
    set_http(s, NULL);
    int error = dxup_http_stop(http);
    if (!status) status = error;
    error = dxup_http_stop(s->status);
    return status ? status : error;
}

/* A store that others fill need not be there yet. */
static int make_store(const dxup_options *o)
{
    versions_store *s;
    if (!o->push || versions_store_is_at(o->store)) return PROG_OK;
    int status = versions_store_open(&s, o->store, VERSIONS_CREATE);
    if (!status) status = versions_store_commit(s);
    if (!status) versions_store_close(s);
    return status;
}

int dxup_serve(const dxup_options *o)
{
    server s = {.o = o, .network_max = network_max(o)};
    dx_reactor_address address;
    int status = check_origin(o);
    if (!status) status = make_store(o);
    if (status) return status;
    s.worker_count = is_local(o) ? 1 : prog_thread_count(o->workers, OS_WORKERS_MAX);
    s.worker_count += o->push != NULL;
    s.workers = prog_alloc(s.worker_count * sizeof *s.workers);
    memset(s.workers, 0, s.worker_count * sizeof *s.workers);
    for (unsigned i = 0; i < s.worker_count; i++) {
        s.workers[i].server = &s;
        s.workers[i].listener = -1;
    }
    os_end_prepare();
    pthread_mutex_init(&s.lock, NULL);
    sem_init(&s.started, 0, 0);
    status = listen_all(&s, &address);
    if (!status) status = listen_for_pushes(&s);
    if (!status && o->log) status = dxup_log_open(&s.log, o->log, &s.metrics);
    if (!status) status = dxup_patches_start(&s.patches, o->store, o->patch_max, patch_ready, &s);
    if (!status) {
        status = serve_all(&s, &address);
        dxup_patches_stop(s.patches);
    }
    dxup_log_close(s.log);
    for (unsigned i = 0; i < s.worker_count; i++)
        if (s.workers[i].listener >= 0) os_close_socket(s.workers[i].listener);
    free(s.workers);
    return status;
}
