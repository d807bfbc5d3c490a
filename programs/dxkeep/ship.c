/* One thread sends the versions, oldest first, over one connection:

       captures --added()--> | what waits | --offer--> remote
                                            <--ids--
                                            --objects-->
                                            <--committed--

   It reads the store with a handle of its own, so captures never wait for it. The remote says what its latest
   version is, so nothing has to be remembered here; the record in the store is for `status`, and for versions
   that a rule has removed from the store meanwhile. After a failure the connection is closed, and made again
   after a pause that doubles. */
#include "ship.h"

#include "remote.h"
#include "../common/os.h"
#include "../sync/address.h"
#include "../sync/bundle.h"
#include "../sync/loop.h"
#include "../sync/wire.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_SIZE  = 65536,
    BLOCK_SIZE  = PIECE_SIZE + DX_HBTP_FILE_CHUNK_OVERHEAD,
    OUT_SIZE    = 16384,
    SIZES_MAX   = 512, /* versions whose store size is remembered */
    PING_S      = 10,
    RECORD_SIZE = 512 + PROG_PATH_SIZE_MAX + KEEP_SHIP_WHY
};
#define PAUSE_MIN_NS INT64_C(200000000)
#define PAUSE_MAX_NS INT64_C(30000000000)
#define REPLY_NS     INT64_C(15000000000) /* for a lease */
#define STALL_NS     INT64_C(60000000000) /* for an offer, without a request or an answer */
#define TELL_NS      INT64_C(1000000000)
#define RELEASE_NS   INT64_C(1500000000)

enum { ASKED_LEASE = 1, ASKED_OFFER = 2 };

typedef struct growth { /* the store had this size when it got the version */
    uint64_t version, size;
} growth;

struct keep_ship {
    const keep_options *o;
    keep_remote      remote;
    pthread_t        thread;
    bool             started;

    pthread_mutex_t  lock;    /* guards the following */
    bool             open;    /* messages may be posted to the reactor */
    bool             ending;
    bool             begun;   /* versions are sent */
    keep_ship_record now;
    uint64_t         latest;  /* version in the store */
    uint64_t         size;    /* of the store */
    growth           sizes[SIZES_MAX];
    uint64_t         size_count;
    int64_t          lease_end_ns; /* 0: the lease was never held; 1: another dxkeep has it */
    int64_t         *tell_end_ns;  /* the same for somebody else; NULL: nobody asks */

    /* of the thread */
    dx_reactor       reactor;
    dx_reactor_message messages[4];
    dx_op            message_op;
    void            *reactor_memory, *links_memory;
    dx_link          links;
    dx_link_id       id;      /* 0: none */
    bool             opened;
    dx_hbtp_router   router;
    dxup_bundler    *bundler;
    versions_store  *store;
    bool             leased;  /* the lease was granted on this connection */
    bool             asks_lease, offers, releases;
    int64_t          lease_due_ns, asked_ns, moved_ns, due_ns, pause_ns, told_ns;
    uint8_t          before[KEEP_SHIP_HOLDER];
    bool             known;   /* the remote's latest version is: */
    versions_version there;   /* version 0: none */
    versions_version offered;
    uint8_t         *answer;  /* objects being sent */
    size_t           answer_size, answer_at;
    uint32_t         transfer;
    uint16_t         sequence;
    bool             said;    /* that something is wrong */
    bool             told;    /* the record in the store has the state */
};

static const char *const state_names[KEEP_SHIP_STATES] = {"away", "waits", "ready", "refused", "other",
                                                          "fenced"};

const char *keep_ship_state_name(keep_ship_state state) { return state_names[state]; }

/* >>record -------------------------------------------------------------- */
static void path_of(const char *store, const char *name, const char *end,
                    char out[PROG_PATH_SIZE_MAX + 96])
{
    dx_cas_id id;
    char hash[65];
    dx_cas_hash(name, strlen(name), &id);
    snprintf(out, PROG_PATH_SIZE_MAX + 96, "%.*s/remote-%.32s%s", PROG_PATH_SIZE_MAX, store,
             prog_hash_text(id.bytes, hash), end);
}

static void put_hex(char *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool get_hex(const char *text, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (strspn(text + 2 * i, "0123456789abcdef") < 2 || sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

/* A hint: an error costs only what status shows, and a wait for the lease at the next start. */
static bool write_record(const keep_options *o, const keep_ship_record *r)
{
    char path[PROG_PATH_SIZE_MAX + 96], made[PROG_PATH_SIZE_MAX + 96], text[RECORD_SIZE];
    char holder[2 * KEEP_SHIP_HOLDER + 1], root[65];
    put_hex(holder, r->holder, sizeof r->holder);
    const int size = snprintf(text, sizeof text,
                              "%s %llu %lld %llu %llu %llu %lld %llu %llu %llu\n%s %s\n%s\n%s\n",
                              state_names[r->state], (unsigned long long)r->version,
                              (long long)r->time_ns, (unsigned long long)r->log_size,
                              (unsigned long long)r->behind, (unsigned long long)r->bytes,
                              (long long)r->since_ns, (unsigned long long)r->skipped,
                              (unsigned long long)r->sent, (unsigned long long)r->epoch, holder,
                              prog_hash_text(r->root, root), r->remote, r->why);
    if (!versions_store_is_at(o->store)) return false; /* in a folder with files no store is made */
    path_of(o->store, o->name, "", path);
    path_of(o->store, o->name, "-new", made);
    const int file = os_open_staging(made, false);
    if (file < 0) return false;
    const bool good = os_empty(file) == 0 && os_write(file, text, (size_t)size) == 0 &&
                      os_replace(file, made, path, false) == 0;
    if (good) os_close(file);
    else os_drop_staging(file, made);
    return good;
}

static bool parse_record(char *text, keep_ship_record *r)
{
    char state[16];
    unsigned long long n[7];
    long long time, since;
    int used = 0, k = 0;
    if (sscanf(text, "%15s %20llu %20lld %20llu %20llu %20llu %20lld %20llu %20llu %20llu%n", state, &n[0],
               &time, &n[1], &n[2], &n[3], &since, &n[4], &n[5], &n[6], &used) != 10 ||
        text[used++] != '\n')
        return false;
    while (k < KEEP_SHIP_STATES && strcmp(state, state_names[k]) != 0) k++;
    if (k == KEEP_SHIP_STATES) return false;
    *r = (keep_ship_record){.state = (keep_ship_state)k, .version = n[0], .time_ns = time,
                            .log_size = n[1], .behind = n[2], .bytes = n[3], .since_ns = since,
                            .skipped = n[4], .sent = n[5], .epoch = n[6]};
    char *at = text + used;
    if (!get_hex(at, r->holder, sizeof r->holder) || at[2 * KEEP_SHIP_HOLDER] != ' ') return false;
    at += 2 * KEEP_SHIP_HOLDER + 1;
    if (!get_hex(at, r->root, sizeof r->root) || at[64] != '\n') return false;
    at += 65;
    char *end = strchr(at, '\n');
    if (!end || end - at > PROG_PATH_SIZE_MAX) return false;
    memcpy(r->remote, at, (size_t)(end - at));
    at = end + 1;
    end = strchr(at, '\n');
    if (!end || end - at >= KEEP_SHIP_WHY) return false;
    memcpy(r->why, at, (size_t)(end - at));
    return true;
}

bool keep_ship_read(const char *store, const char *name, keep_ship_record *out)
{
    char path[PROG_PATH_SIZE_MAX + 96], text[RECORD_SIZE + 1];
    size_t size = 0;
    int64_t n = 1;
    path_of(store, name, "", path);
    const int file = os_open(path);
    if (file < 0) return false;
    while (size < RECORD_SIZE && (n = os_read(file, text + size, RECORD_SIZE - size)) > 0) size += (size_t)n;
    os_close(file);
    text[size] = 0;
    return parse_record(text, out);
}

/* >>state --------------------------------------------------------------- */
/* The size of the store when it got a version, at most. The lock is held. */
static uint64_t size_at(const keep_ship *s, uint64_t version)
{
    uint64_t best = 0, size = s->now.version == version ? s->now.log_size : 0;
    const uint64_t count = s->size_count < SIZES_MAX ? s->size_count : SIZES_MAX;
    for (uint64_t i = 0; i < count; i++)
        if (s->sizes[i].version <= version && s->sizes[i].version >= best) {
            best = s->sizes[i].version;
            size = s->sizes[i].size;
        }
    return size;
}

static void tell(keep_ship *s)
{
    pthread_mutex_lock(&s->lock);
    s->now.sent = s->links.sent;
    const keep_ship_record now = s->now;
    pthread_mutex_unlock(&s->lock);
    s->told_ns = prog_now_ns();
    s->told = write_record(s->o, &now);
}

/* Enter a state, and say so if it is another one. */
static void enter(keep_ship *s, keep_ship_state state, const char *why)
{
    pthread_mutex_lock(&s->lock);
    const bool begun = s->begun, changed = s->now.state != state || strcmp(s->now.why, why) != 0;
    s->now.state = state;
    snprintf(s->now.why, sizeof s->now.why, "%s", why);
    pthread_mutex_unlock(&s->lock);
    if (!changed) return;
    tell(s);
    const bool good = state == KEEP_SHIP_READY;
    if (!good && !s->o->quiet)
        prog_warn("remote %s: %s; %s", s->o->remote, why,
                  begun ? "versions are captured here meanwhile" : "it is asked again");
    else if (s->said && !s->o->quiet) prog_warn("remote %s: versions are sent again", s->o->remote);
    s->said = !good;
}

static keep_ship_state state_of(keep_ship *s)
{
    pthread_mutex_lock(&s->lock);
    const keep_ship_state state = s->now.state;
    pthread_mutex_unlock(&s->lock);
    return state;
}

/* The remote has this version: count what waits. */
static void count_behind(keep_ship *s, uint64_t behind, int64_t since_ns)
{
    pthread_mutex_lock(&s->lock);
    keep_ship_record *r = &s->now;
    const uint64_t size = size_at(s, s->there.version);
    r->version = s->there.version;
    r->time_ns = s->there.time_ns;
    memcpy(r->root, s->there.root, sizeof r->root);
    r->log_size = size;
    r->behind = behind;
    r->since_ns = since_ns;
    pthread_mutex_unlock(&s->lock);
}

/* >>connection ---------------------------------------------------------- */
/* Close the connection, and try again after a pause. */
static void fail(keep_ship *s, keep_ship_state state, const char *why)
{
    enter(s, state, why);
    if (s->id) (void)dx_link_abort(&s->links, s->id);
    s->id = 0;
    s->opened = s->leased = s->asks_lease = s->offers = s->known = false;
    free(s->answer);
    s->answer = NULL;
    s->due_ns = prog_now_ns() + s->pause_ns;
    s->pause_ns = s->pause_ns * 2 < PAUSE_MAX_NS ? s->pause_ns * 2 : PAUSE_MAX_NS;
}

static void connect_now(keep_ship *s)
{
    dxup_addresses a;
    prog_mute(true);
    const int status = dxup_addresses_find(&a, s->remote.address, "--remote");
    prog_mute(false);
    s->moved_ns = prog_now_ns();
    if (status) {
        fail(s, KEEP_SHIP_AWAY, "its name cannot be looked up");
        return;
    }
    if (dx_link_connect(&s->links, &a.list[0], &s->id)) {
        s->id = 0;
        fail(s, KEEP_SHIP_AWAY, "it cannot be connected to");
        return;
    }
    dx_link_session(&s->links, s->id)->desc.user = s;
}

static void ask_lease(keep_ship *s)
{
    uint8_t bytes[512];
    lease_request_writer w;
    size_t size = 0;
    lease_request_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    lease_request_set_lease_ms(&w, s->releases ? 0 : (uint32_t)(s->o->lease_ns / 1000000));
    lease_request_set_holder(&w, s->now.holder);
    lease_request_set_before(&w, s->before);
    lease_request_put_name(&w, s->remote.name, strlen(s->remote.name));
    int error = lease_request_finish(&w, &size);
    s->asked_ns = prog_now_ns(); /* before it is sent: here the lease must not end later than there */
    if (!error)
        error = dx_hbtp_call(dx_link_session(&s->links, s->id), DXUP_RPC_LEASE, bytes, size, UINT64_MAX,
                             (void *)(uintptr_t)ASKED_LEASE, NULL);
    if (error) {
        fail(s, KEEP_SHIP_AWAY, "the connection was lost");
        return;
    }
    s->asks_lease = true;
}

static void offer(keep_ship *s, const versions_version *v)
{
    uint8_t bytes[768];
    offer_request_writer w;
    size_t size = 0;
    s->offered = *v;
    offer_request_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    offer_request_set_epoch(&w, s->now.epoch);
    offer_request_set_version(&w, v->version);
    offer_request_set_previous(&w, s->there.version);
    offer_request_set_size(&w, v->size);
    offer_request_set_time_ns(&w, v->time_ns);
    offer_request_set_torn(&w, v->torn);
    offer_request_set_mode(&w, (uint16_t)v->mode);
    offer_request_set_consistent(&w, v->consistent);
    offer_request_set_root(&w, v->root);
    offer_request_set_base(&w, s->there.root);
    offer_request_put_name(&w, s->remote.name, strlen(s->remote.name));
    int error = offer_request_finish(&w, &size);
    if (!error)
        error = dx_hbtp_call(dx_link_session(&s->links, s->id), DXUP_RPC_OFFER, bytes, size, UINT64_MAX,
                             (void *)(uintptr_t)ASKED_OFFER, NULL);
    if (error) {
        fail(s, KEEP_SHIP_AWAY, "the connection was lost");
        return;
    }
    s->offers = true;
    s->moved_ns = prog_now_ns();
}

/* >>objects: the remote asks, see sync.md --------------------------------- */
static void fill(keep_ship *s)
{
    while (s->answer) {
        dx_hbtp_out out;
        const uint32_t payload_max = dx_link_session(&s->links, s->id)->peer.payload_max;
        size_t n = s->answer_size - s->answer_at;
        if (n > PIECE_SIZE) n = PIECE_SIZE;
        if (payload_max > DX_HBTP_FILE_CHUNK_PREFIX && n > payload_max - DX_HBTP_FILE_CHUNK_PREFIX)
            n = payload_max - DX_HBTP_FILE_CHUNK_PREFIX;
        if (dx_link_reserve(&s->links, s->id, (uint32_t)n + DX_HBTP_FILE_CHUNK_OVERHEAD, &out)) return;
        const bool final = s->answer_at + n == s->answer_size;
        const dx_hbtp_file_chunk chunk = {s->transfer, s->answer_at, s->answer + s->answer_at, (uint32_t)n,
                                          final};
        (void)dx_hbtp_write_file_chunk(&out, s->sequence, &chunk);
        (void)dx_link_commit(&s->links, s->id, &out);
        s->answer_at += n;
        s->moved_ns = prog_now_ns();
        if (!final) continue;
        free(s->answer);
        s->answer = NULL;
        (void)dx_link_wake(&s->links, s->id); /* the next request may have arrived */
    }
}

static int on_objects(const dx_hbtp_context *context)
{
    keep_ship *s = context->session->desc.user;
    dxup_bundle_request request;
    if (!s->offers || !s->store) return DX_HBTP_STATUS_NOT_FOUND; /* only what was offered */
    if (s->answer) return DX_HBTP_EAGAIN;
    if (!dxup_bundle_read_request(&request, context->payload, context->payload_size) || request.size_only)
        return DX_HBTP_STATUS_BAD_REQUEST;
    if (dxup_bundle_make(s->bundler, s->store, &request, &s->answer, &s->answer_size)) {
        s->answer = NULL;
        return DX_HBTP_STATUS_INTERNAL;
    }
    s->answer_at = 0;
    s->transfer = request.transfer;
    s->sequence = context->frame->sequence;
    s->moved_ns = prog_now_ns();
    const int error = dx_hbtp_write_rpc_response(context->out, context->frame->sequence, NULL, 0);
    if (error) {
        free(s->answer);
        s->answer = NULL;
    } else {
        (void)dx_link_call_writable(&s->links, s->id);
    }
    return error;
}

/* >>answers -------------------------------------------------------------- */
/* The lock is held. */
static void set_lease_end(keep_ship *s, int64_t end_ns)
{
    s->lease_end_ns = end_ns;
    if (s->tell_end_ns && end_ns) __atomic_store_n(s->tell_end_ns, end_ns, __ATOMIC_RELEASE);
}

static void be_fenced(keep_ship *s)
{
    pthread_mutex_lock(&s->lock);
    set_lease_end(s, 1);
    pthread_mutex_unlock(&s->lock);
    fail(s, KEEP_SHIP_FENCED, "another dxkeep has taken over; no further version is sent");
}

static void handle_lease(keep_ship *s, const dx_hbtp_result *r)
{
    lease_reply_view v;
    char why[KEEP_SHIP_WHY];
    s->asks_lease = false;
    if (s->releases) return;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND) {
        fail(s, KEEP_SHIP_AWAY, "it takes no versions: its dxup serves without --push on this address");
        return;
    }
    if (r->error || lease_reply_open_bare(&v, r->payload, r->payload_size, DXUP_WIRE_VERSION)) {
        fail(s, KEEP_SHIP_AWAY, r->status == DX_HBTP_STATUS_UNAVAILABLE
                                    ? "another process writes to its store"
                                    : "it gives no lease, or its reply is malformed");
        return;
    }
    const bool granted = lease_reply_get_granted(&v);
    const uint64_t epoch = lease_reply_get_epoch(&v), had = s->now.epoch;
    if (had && (!granted || epoch != had)) {
        be_fenced(s);
        return;
    }
    if (!granted) {
        snprintf(why, sizeof why, "another dxkeep has the lease of '%.80s'", s->remote.name);
        s->pause_ns = PAUSE_MIN_NS * 5;
        fail(s, KEEP_SHIP_WAITS, why);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->now.epoch = epoch;
    set_lease_end(s, s->asked_ns + (int64_t)s->o->lease_ns);
    pthread_mutex_unlock(&s->lock);
    s->leased = true;
    s->lease_due_ns = prog_now_ns() + (int64_t)s->o->lease_ns / 3;
    if (s->known) return;
    memset(&s->there, 0, sizeof s->there);
    s->there.version = lease_reply_get_version(&v);
    s->there.time_ns = lease_reply_get_time_ns(&v);
    lease_reply_copy_root(&v, 0, s->there.root, sizeof s->there.root);
    s->known = true;
}

static void refused(keep_ship *s, int status)
{
    char why[KEEP_SHIP_WHY];
    const unsigned long long version = s->offered.version;
    switch (status) {
    case DXUP_STATUS_EPOCH: be_fenced(s); return;
    case DXUP_STATUS_FULL: snprintf(why, sizeof why, "it cannot store version %llu", version); break;
    case DXUP_STATUS_LIMIT:
        snprintf(why, sizeof why, "version %llu is larger than it takes", version);
        break;
    case DX_HBTP_STATUS_UNAVAILABLE: snprintf(why, sizeof why, "another process writes to its store"); break;
    default: snprintf(why, sizeof why, "it refused version %llu: status %d", version, status);
    }
    fail(s, KEEP_SHIP_REFUSED, why);
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    keep_ship *s = session->desc.user;
    if (r->error == DX_HBTP_ECANCELED || !s->id) return;
    if ((uintptr_t)r->user == ASKED_LEASE) {
        handle_lease(s, r);
        return;
    }
    if ((uintptr_t)r->user != ASKED_OFFER || !s->offers) return;
    s->offers = false;
    if (r->error) {
        refused(s, r->error == DX_HBTP_EREMOTE ? r->status : 0);
        return;
    }
    s->there = s->offered;
    s->pause_ns = PAUSE_MIN_NS;
}

static void on_opened(dx_link *links, dx_link_id id)
{
    keep_ship *s = dx_link_session(links, id)->desc.user;
    s->opened = true;
    s->moved_ns = prog_now_ns();
}

static void on_closed(dx_link *links, dx_link_id id, int32_t reason)
{
    keep_ship *s = links->desc.user;
    char why[KEEP_SHIP_WHY];
    if (id != s->id) return;
    s->id = 0;
    snprintf(why, sizeof why, "%s: %.100s", s->opened ? "the connection was lost" : "it cannot be reached",
             reason ? os_error_text(-reason) : "it closed the connection");
    fail(s, KEEP_SHIP_AWAY, why);
}

static void on_writable(dx_link *links, dx_link_id id)
{
    keep_ship *s = links->desc.user;
    if (id == s->id) fill(s);
}

/* >>choice ---------------------------------------------------------------- */
/* Has this store the version that is the remote's latest? Or did it have it? */
static bool continues(keep_ship *s)
{
    versions_version v;
    if (!s->there.version) return true;
    prog_mute(true);
    const int status = versions_version_find(s->store, s->o->name, s->there.version, &v);
    prog_mute(false);
    if (!status) return v.snapshot && !memcmp(v.root, s->there.root, sizeof v.root);
    return s->now.version == s->there.version && !memcmp(s->now.root, s->there.root, sizeof s->now.root);
}

/* Find the oldest version that waits, without those that are too many. *any: there is one. */
static int choose(keep_ship *s, versions_version *out, bool *any)
{
    versions_history history = {.begun = false};
    versions_version v;
    uint64_t behind = 0, skipped = 0;
    int64_t since_ns = 0;
    int status;
    *any = false;
    while (!(status = versions_history_next(&history, s->store, s->o->name, &v)) &&
           v.version > s->there.version) {
        if (!v.snapshot) continue;
        if (++behind > s->o->behind_max) {
            skipped++;
            continue;
        }
        since_ns = v.time_ns;
        *out = v;
        *any = true;
    }
    if (status && status != PROG_NOT_FOUND) return status;
    pthread_mutex_lock(&s->lock);
    s->now.skipped += skipped;
    pthread_mutex_unlock(&s->lock);
    count_behind(s, behind - skipped, since_ns);
    return PROG_OK;
}

static int refresh(keep_ship *s)
{
    if (s->store) return versions_store_refresh(&s->store);
    return versions_store_open(&s->store, s->o->store, VERSIONS_READ);
}

/* The lease is held and no offer is under way: offer the next version. */
static void offer_next(keep_ship *s)
{
    versions_version next;
    bool any;
    prog_mute(true);
    int status = refresh(s);
    prog_mute(false);
    if (status) return; /* not there yet, or replaced: captures say so */
    if (!continues(s)) {
        char why[KEEP_SHIP_WHY];
        snprintf(why, sizeof why, "its version %llu of '%.80s' is not one of this store",
                 (unsigned long long)s->there.version, s->remote.name);
        fail(s, KEEP_SHIP_OTHER, why);
        return;
    }
    if (choose(s, &next, &any)) return;
    if (any) offer(s, &next);
    if (s->id && state_of(s) != KEEP_SHIP_REFUSED) enter(s, KEEP_SHIP_READY, "");
    if (s->id && !any) enter(s, KEEP_SHIP_READY, "");
    if (!any || prog_now_ns() - s->told_ns > TELL_NS) tell(s);
}

/* >>thread ----------------------------------------------------------------- */
/* What does not wait for an event. Returns how long there is nothing to do. */
static int64_t step(keep_ship *s, bool *looked, bool added, bool begun)
{
    const int64_t now = prog_now_ns();
    if (!s->told && now - s->told_ns > TELL_NS / 10) tell(s);
    if (state_of(s) == KEEP_SHIP_FENCED) return 1000000000;
    if (!s->id) {
        if (now >= s->due_ns) connect_now(s);
        return s->id ? 1000000000 : 100000000;
    }
    if (!s->opened) return 1000000000;
    if (s->asks_lease && now - s->asked_ns > REPLY_NS) fail(s, KEEP_SHIP_AWAY, "it does not answer");
    else if (s->offers && now - s->moved_ns > STALL_NS) fail(s, KEEP_SHIP_AWAY, "it has stopped answering");
    else if (!s->asks_lease && (!s->leased || now >= s->lease_due_ns)) ask_lease(s);
    if (!s->id || !s->leased || !s->known || s->offers || !begun) return 100000000;
    if (*looked && !added) return 100000000;
    *looked = true;
    offer_next(s);
    return 100000000;
}

static void on_message(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    keep_ship *s = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    dx_reactor_receive(r, op, s->messages, sizeof s->messages / sizeof *s->messages);
}

static int open_links(keep_ship *s)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&s->router);
    dx_hbtp_router_set_method(&s->router, DXUP_RPC_OBJECTS, on_objects, NULL);
    desc.links_max = 4; /* others may still be closing */
    desc.out_size = OUT_SIZE;
    desc.block_count = 2 * DXUP_INPUT_BLOCKS;
    desc.block_size = BLOCK_SIZE;
    desc.high_water = 2 * BLOCK_SIZE;
    desc.session.router = &s->router;
    desc.session.on_result = on_result;
    desc.session.user = s;
    desc.session.payload_max = 16384;
    desc.session.outstanding_max = 4;
    desc.session.pending_max = 4;
    desc.session.keepalive_ns = PING_S * UINT64_C(1000000000);
    desc.opened = on_opened;
    desc.writable = on_writable;
    desc.closed = on_closed;
    desc.user = s;
    return dxup_links_open(&s->links, &s->reactor, &desc, &s->links_memory);
}

static int open_loop(keep_ship *s)
{
    dx_reactor_desc desc = {.pending_max = 64, .descriptors_max = 16, .queue_entries = 8,
                            .buffer_count = DXUP_INPUT_BUFFERS, .buffer_size = DXUP_INPUT_SIZE,
                            .posts_max = 16, .file_threads = DX_REACTOR_NO_THREADS};
    int status = dxup_loop_open(&s->reactor, &desc, NULL, &s->reactor_memory);
    if (status) return status;
    status = open_links(s);
    if (status) {
        dx_reactor_close(&s->reactor);
        return status;
    }
    dx_reactor_op_init(&s->message_op, on_message, s);
    dx_reactor_receive(&s->reactor, &s->message_op, s->messages,
                       sizeof s->messages / sizeof *s->messages);
    return PROG_OK;
}

/* Nothing more is sent: another dxkeep need not wait. */
static void release(keep_ship *s)
{
    const int64_t until_ns = prog_now_ns() + RELEASE_NS;
    if (!s->id || !s->leased || s->offers) return;
    s->releases = true;
    ask_lease(s);
    while (s->id && s->asks_lease && prog_now_ns() < until_ns)
        dx_reactor_run_once(&s->reactor, until_ns - prog_now_ns());
}

static void run(keep_ship *s)
{
    uint64_t seen = 0;
    uint64_t there = 0;
    bool looked = false;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        const bool ends = s->ending, added = s->latest != seen, begun = s->begun;
        seen = s->latest;
        pthread_mutex_unlock(&s->lock);
        if (ends) break;
        if (!s->known || s->there.version != there) looked = false;
        there = s->there.version;
        const int64_t wait = step(s, &looked, added, begun);
        dx_reactor_run_once(&s->reactor, wait);
    }
    release(s);
}

static void *ship(void *user)
{
    keep_ship *s = user;
    if (open_loop(s)) {
        enter(s, KEEP_SHIP_AWAY, "its connection cannot be opened");
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    s->open = true;
    pthread_mutex_unlock(&s->lock);
    run(s);
    pthread_mutex_lock(&s->lock);
    s->open = false;
    pthread_mutex_unlock(&s->lock);
    tell(s);
    s->id = 0;
    dx_reactor_close(&s->reactor);
    return NULL;
}

/* >>lease: for a dxkeep that waits to take over ------------------------------ */
bool keep_ship_leads(keep_ship *s, bool *failed)
{
    pthread_mutex_lock(&s->lock);
    *failed = s->now.state == KEEP_SHIP_FENCED;
    const bool leads = s->now.epoch && !*failed;
    pthread_mutex_unlock(&s->lock);
    return leads;
}

bool keep_ship_agrees(keep_ship *s, char why[KEEP_SHIP_WHY])
{
    pthread_mutex_lock(&s->lock);
    const keep_ship_state state = s->now.state;
    *why = 0;
    if (state == KEEP_SHIP_FENCED || state == KEEP_SHIP_OTHER)
        snprintf(why, KEEP_SHIP_WHY, "%s", s->now.why);
    pthread_mutex_unlock(&s->lock);
    return state == KEEP_SHIP_READY || state == KEEP_SHIP_REFUSED;
}

void keep_ship_tell_lease(keep_ship *s, int64_t *end_ns)
{
    pthread_mutex_lock(&s->lock);
    s->tell_end_ns = end_ns;
    set_lease_end(s, s->lease_end_ns);
    pthread_mutex_unlock(&s->lock);
}

/* >>interface --------------------------------------------------------------- */
int keep_ship_open(keep_ship **out, const keep_options *o)
{
    *out = NULL;
    if (!o->remote) return PROG_OK;
    keep_ship *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->o = o;
    s->pause_ns = PAUSE_MIN_NS;
    pthread_mutex_init(&s->lock, NULL);
    s->bundler = dxup_bundler_open();
    *out = s;
    int status = keep_remote_parse(&s->remote, o->remote, o->name);
    if (status) return status;
    if (keep_ship_read(o->store, o->name, &s->now)) memcpy(s->before, s->now.holder, sizeof s->before);
    s->now.epoch = s->now.skipped = s->now.sent = 0;
    s->now.state = KEEP_SHIP_AWAY;
    *s->now.why = 0;
    snprintf(s->now.remote, sizeof s->now.remote, "%s", o->remote);
    if (!os_random(s->now.holder, sizeof s->now.holder))
        return prog_fail(PROG_SYSTEM, "the system's random numbers are not available");
    if (pthread_create(&s->thread, NULL, ship, s))
        return prog_fail(PROG_SYSTEM, "remote %s: cannot start the thread that sends", o->remote);
    s->started = true;
    return PROG_OK;
}

static void wake(keep_ship *s)
{
    dx_reactor_message message = {{0, 0, 0}};
    if (s->open) dx_reactor_post(&s->reactor, &message); /* full: it will wake anyway */
}

void keep_ship_begin(keep_ship *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->begun = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

void keep_ship_added(keep_ship *s, const versions_version *v, uint64_t store_size)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    if (store_size < s->size) /* a collection: what was before it counts as it is now */
        for (size_t i = 0; i < SIZES_MAX; i++)
            if (s->sizes[i].size > store_size) s->sizes[i].size = store_size;
    s->size = store_size;
    s->latest = v->version;
    s->sizes[s->size_count++ % SIZES_MAX] = (growth){v->version, store_size};
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

void keep_ship_now(keep_ship *s, keep_ship_record *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->now;
    uint64_t behind = 0;
    const uint64_t size = size_at(s, out->version);
    for (size_t i = 0; i < SIZES_MAX; i++) behind += s->sizes[i].version > out->version;
    if (behind > out->behind) out->behind = behind; /* those were added meanwhile */
    out->bytes = out->behind && s->size > size ? s->size - size : 0;
    pthread_mutex_unlock(&s->lock);
}

void keep_ship_finish(keep_ship *s, int64_t until_ns)
{
    keep_ship_record now;
    uint64_t latest;
    char has[48] = "it has none so far";
    if (!s) return;
    do {
        keep_ship_now(s, &now);
        pthread_mutex_lock(&s->lock);
        latest = s->latest;
        pthread_mutex_unlock(&s->lock);
        if (now.version >= latest || now.state == KEEP_SHIP_FENCED || now.state == KEEP_SHIP_OTHER) break;
        os_sleep_ns(10000000);
    } while (prog_now_ns() < until_ns);
    if (now.version >= latest || s->o->quiet) return;
    if (now.version) snprintf(has, sizeof has, "it has version %llu", (unsigned long long)now.version);
    prog_warn("remote %s: the latest version, %llu, was not sent; %s", s->o->remote,
              (unsigned long long)latest, has);
}

void keep_ship_close(keep_ship *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
    if (s->started) pthread_join(s->thread, NULL);
    if (s->store) versions_store_close(s->store);
    dxup_bundler_close(s->bundler);
    pthread_mutex_destroy(&s->lock);
    free(s->answer);
    free(s->links_memory);
    free(s->reactor_memory);
    free(s);
}
