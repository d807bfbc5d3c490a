/* Subscriptions. See follow.h.

       NEW --first result--> READY <--------------.
                              |  ^                 |
                    a change  |  | its result      | the database is back
                              v  |                 |
                            LOADING --database--> AWAY (503, retried)
                              |
                              '--- refused, other columns, too large ---> ENDED, removed later

   Its queries run one after the other, and never join a query that another request began: so no
   record is older than the one before. A large record stays LOADING until another thread has made the
   patch (patcher.h): it becomes visible together with it. */
#include "follow.h"

#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_SIZE    = 16,
    SUBSCRIPTION_SIZE = 56, /* in memory of dx_states.h */
    TICK_MS      = 100,
    UNUSED_MS    = 10000, /* a result that nobody follows is kept this long */
    RETRY_MS     = 100,   /* after a failure; doubled up to */
    RETRY_MAX_MS = 5000,
    PATCH_MIN    = 192,   /* a patch has a head of 128 bytes: smaller records are sent whole */
    PATCH_HERE_MAX = 16384, /* of larger records another thread makes the patch, */
    PATCH_POLL_MS = 1       /* which is looked for this often, while it makes one */
};

/* >>finding ------------------------------------------------------------------- */
static uint32_t hash_text(uint32_t hash, const char *text)
{
    hash = (hash ^ (text ? 1u : 2u)) * 16777619u;
    for (; text && *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static uint32_t key_of(const dxdb_follow *f, uint32_t query, const char *const *values)
{
    uint32_t hash = (2166136261u ^ query ^ (uint32_t)(f->seed)) * 16777619u;
    for (uint32_t i = 0; i < f->config->queries[query].parameter_count; i++)
        hash = hash_text(hash, values[i]);
    return (hash ^ hash >> 15) % DXDB_FOLLOW_BUCKETS;
}

static bool has_values(const dxdb_followed *one, const char *const *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!one->values[i] != !values[i]) return false;
        if (values[i] && strcmp(one->values[i], values[i])) return false;
    }
    return true;
}

static dxdb_followed *find_key(const dxdb_follow *f, uint32_t query, const char *const *values)
{
    dxdb_followed *one = f->by_key[key_of(f, query, values)];
    const uint32_t count = f->config->queries[query].parameter_count;
    while (one && (one->query != query || !has_values(one, values, count))) one = one->key_next;
    return one;
}

static void unlink_key(dxdb_followed *one)
{
    dxdb_followed **at = &one->follow->by_key[one->key];
    while (*at && *at != one) at = &(*at)->key_next;
    if (*at) *at = one->key_next;
}

static void unlink_number(dxdb_followed *one)
{
    dxdb_followed **at = &one->follow->by_number[one->state.number % DXDB_FOLLOW_BUCKETS];
    while (*at != one) at = &(*at)->number_next;
    *at = one->number_next;
}

/* >>places --------------------------------------------------------------------------
   A change of some keys finds the results that it concerns without looking at the others. */
static uint32_t bucket_of(Oid root, uint32_t column, uint64_t hash)
{
    const uint64_t mixed = (hash ^ (uint64_t)root << 32 ^ column) * (uint64_t)0x9e3779b97f4a7c15;
    return (uint32_t)(mixed >> 40) % DXDB_FOLLOW_PLACES;
}

static void unplace(dxdb_followed *one)
{
    for (uint32_t i = 0; i < one->place_count; i++) {
        dxdb_place *place = &one->places[i];
        if (place->prev) place->prev->next = place->next;
        else one->follow->by_change[place->bucket] = place->next;
        if (place->next) place->next->prev = place->prev;
    }
    free(one->places);
    one->places = NULL;
    one->place_count = 0;
}

/* Put it where changes of its tables look for it, as they are described now. */
static void place(dxdb_followed *one)
{
    dxdb_follow *f = one->follow;
    const dxdb_described *d = &f->results->catalog.queries[one->query];
    unplace(one);
    if (!d->root_count) return;
    one->places = prog_alloc(d->root_count * sizeof *one->places);
    for (; one->place_count < d->root_count; one->place_count++) {
        const dxdb_key *key = &d->keys[one->place_count];
        dxdb_place *p = &one->places[one->place_count];
        memset(p, 0, sizeof *p);
        p->followed = one;
        p->root = d->roots[one->place_count];
        if (dxdb_key_hash(key, one->values, &p->hash)) p->column = key->column;
        p->bucket = bucket_of(p->root, p->column, p->hash);
        p->next = f->by_change[p->bucket];
        if (p->next) p->next->prev = p;
        f->by_change[p->bucket] = p;
    }
}

/* >>states ------------------------------------------------------------------------ */
static int on_find(void *user, dx_hbtp_session *session, uint32_t number, dx_states_state **state)
{
    dxdb_follow *f = user;
    const uint16_t status = f->check ? f->check(session) : 0;
    dxdb_followed *one = f->by_number[number % DXDB_FOLLOW_BUCKETS];
    if (status) return status;
    while (one && one->state.number != number) one = one->number_next;
    if (!one) return DXDB_NOT_FOUND;
    one->used_ns = one->wanted_ns = dx_reactor_now_ns(f->reactor);
    *state = &one->state;
    return 0;
}

void dxdb_put_number(uint8_t *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) out[i] = (uint8_t)(value >> 8 * i);
}

static int on_write(void *user, dx_states_state *state, uint64_t from, uint8_t *out,
                    size_t capacity, size_t *size)
{
    const dxdb_followed *one = (const dxdb_followed *)(const void *)state; /* its first field */
    const bool is_patch = !one->is_ended && from && from == one->patch_from;
    const void *body = is_patch ? one->patch : one->record;
    size_t body_size = is_patch ? one->patch_size : one->record_size;
    (void)user;
    if (one->is_ended) {
        body = one->why;
        body_size = strlen(one->why);
    }
    if (HEAD_SIZE + body_size > capacity) return DX_STATES_ENOSPACE;
    dxdb_put_number(out, one->position, 8);
    dxdb_put_number(out + 8, one->status, 2);
    dxdb_put_number(out + 10, 0, 2);
    dxdb_put_number(out + 12, one->is_ended ? body_size : one->record_size, 4);
    if (body_size) memcpy(out + HEAD_SIZE, body, body_size);
    *size = HEAD_SIZE + body_size;
    return is_patch ? 0 : DX_STATES_WHOLE;
}

static void on_wake(void *user, dx_hbtp_session *session)
{
    (void)user;
    (void)dx_link_call_writable(dx_link_of(session), dx_link_id_of(session));
}

static void on_send(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_follow *f = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    if (result >= 0) (void)dx_states_send(&f->states, NULL);
}

/* The record or the status has changed. It is sent in the next iteration of the event loop: this may
   be called while a session handles a request. */
static void publish(dxdb_followed *one)
{
    dxdb_follow *f = one->follow;
    dx_states_change(&f->states, &one->state);
    if (one->state.count && !dx_reactor_op_pending(&f->send_op))
        (void)dx_reactor_timer(f->reactor, &f->send_op, 0);
    for (dxdb_listener *l = one->listeners, *next; l; l = next) {
        next = l->next;
        l->changed(l);
    }
}

/* >>watches ------------------------------------------------------------------------- */
static void unlink_watch(dxdb_watch *w)
{
    if (w->prev) w->prev->next = w->next;
    else w->followed->watches = w->next;
    if (w->next) w->next->prev = w->prev;
    w->waits = false;
}

/* Answer the watches that take this query's result; or, if it failed, all of them. */
static void answer_watches(dxdb_followed *one, uint16_t status, const char *why)
{
    dxdb_watch *w = one->watches;
    while (w) {
        if (status == DXDB_OK && w->need > one->loads) {
            w = w->next;
            continue;
        }
        unlink_watch(w);
        w->ready(w, status, why);
        w = one->watches;
    }
}

static void answer_late(dxdb_followed *one, uint64_t now)
{
    dxdb_watch *w = one->watches;
    while (w) {
        if (w->until_ns > now) {
            w = w->next;
            continue;
        }
        unlink_watch(w);
        w->ready(w, DXDB_UNAVAILABLE, one->why[0] ? one->why : "the database did not answer in time");
        w = one->watches;
    }
}

/* >>the life of a followed result ------------------------------------------------------- */
static void drop_patch(dxdb_followed *one)
{
    one->follow->bytes -= one->patch_size;
    free(one->patch);
    one->patch = NULL;
    one->patch_size = 0;
    one->patch_from = 0;
}

static void drop_record(dxdb_followed *one)
{
    drop_patch(one);
    one->follow->bytes -= one->record_size;
    free(one->record);
    one->record = NULL;
    one->record_size = 0;
}

/* Nobody waits for the patch any more; the record before stays. */
static void abandon_patch(dxdb_followed *one)
{
    if (one->patching) one->patching->user = NULL;
    one->patching = NULL;
}

/* End it with a reason, which all subscribers get. */
static void end(dxdb_followed *one, uint16_t status, const char *why)
{
    dxdb_follow *f = one->follow;
    if (one->is_ended) return;
    dxdb_results_forget(&one->request);
    abandon_patch(one);
    one->is_loading = false;
    one->is_ended = true;
    one->status = status;
    snprintf(one->why, sizeof one->why, "%s", why);
    one->due_ns = dx_reactor_now_ns(f->reactor) + f->config->lag_ms * 1000000;
    drop_record(one);
    unlink_key(one);
    f->results->metrics.ended++;
    publish(one);
    while (one->listeners) dxdb_follow_leave(one->listeners);
    answer_watches(one, status, one->why);
}

static void remove_followed(dxdb_followed *one)
{
    dxdb_follow *f = one->follow;
    assert(!one->watches && !one->listeners);
    dxdb_results_forget(&one->request);
    abandon_patch(one);
    dx_states_end(&f->states, &one->state);
    drop_record(one);
    if (!one->is_ended) unlink_key(one);
    unplace(one);
    unlink_number(one);
    if (one->prev) one->prev->next = one->next;
    else f->all = one->next;
    if (one->next) one->next->prev = one->prev;
    f->count--;
    free(one);
}

/* Is a patch of this record worth making? */
static bool wants_patch(const dxdb_followed *one, size_t size)
{
    const uint64_t now = dx_reactor_now_ns(one->follow->reactor);
    return one->record && size >= PATCH_MIN && one->record_size >= PATCH_MIN && one->wanted_ns &&
           now - one->wanted_ns <= (uint64_t)UNUSED_MS * 1000000;
}

/* The patch from the record before to the one that is about to replace it. */
static void set_patch(dxdb_followed *one, const uint8_t *patch, size_t size)
{
    dxdb_follow *f = one->follow;
    drop_patch(one);
    if (!size) return;
    one->patch = prog_alloc(size);
    memcpy(one->patch, patch, size);
    one->patch_size = size;
    one->patch_from = one->state.version;
    f->bytes += size;
    f->results->metrics.patches++;
}

/* Show a record, which is another than before. */
static void set_record(dxdb_followed *one, const uint8_t *bytes, size_t size, uint64_t position)
{
    dxdb_follow *f = one->follow;
    const bool is_first = !one->record;
    uint8_t *record = prog_alloc(size);
    memcpy(record, bytes, size);
    f->bytes += size - one->record_size;
    free(one->record);
    one->record = record;
    one->record_size = size;
    one->position = position;
    one->layout = f->results->catalog.queries[one->query].rows.type.layout;
    one->status = DXDB_OK;
    one->why[0] = 0;
    f->results->metrics.refreshed++;
    if (!is_first) publish(one);
}

/* Have the patch of a large record made. False: there is too much to do, so it gets none. */
static bool begin_patch(dxdb_followed *one, const dxdb_result *result)
{
    dxdb_follow *f = one->follow;
    dxdb_patching *p = dxdb_patcher_submit(one->record, one->record_size, result->record,
                                           result->record_size, one);
    if (!p) return false;
    p->position = result->position;
    p->next = f->patchings;
    f->patchings = p;
    one->patching = p;
    if (!dx_reactor_op_pending(&f->patch_op))
        (void)dx_reactor_timer(f->reactor, &f->patch_op, (uint64_t)PATCH_POLL_MS * 1000000);
    return true;
}

/* Another record than before. */
static void change_record(dxdb_followed *one, const dxdb_result *result)
{
    const size_t size = result->record_size;
    const bool wants = wants_patch(one, size);
    const bool is_large = size > PATCH_HERE_MAX || one->record_size > PATCH_HERE_MAX;
    uint8_t patch[PATCH_HERE_MAX];
    if (wants && is_large && begin_patch(one, result)) return;
    set_patch(one, patch, wants && !is_large ? dxdb_patch_make(one->record, one->record_size,
                                                              result->record, size, patch) : 0);
    set_record(one, result->record, size, result->position);
}

/* A query has delivered a record. */
static void replace_record(dxdb_followed *one, const dxdb_result *result)
{
    dxdb_follow *f = one->follow;
    const bool is_same = one->record && one->record_size == result->record_size &&
                         !memcmp(one->record, result->record, result->record_size);
    if (f->bytes - one->record_size - one->patch_size + 2 * result->record_size >
        f->config->states_bytes) {
        end(one, DXDB_TOO_BIG, "the followed results have reached [subscribe] bytes");
        return;
    }
    if (!is_same) {
        change_record(one, result);
        return;
    }
    one->position = result->position;
    if (one->status == DXDB_OK) return;
    drop_patch(one);
    one->patch_from = one->state.version; /* an empty patch: only the head is new */
    one->layout = f->results->catalog.queries[one->query].rows.type.layout;
    one->status = DXDB_OK;
    one->why[0] = 0;
    publish(one);
}

/* It cannot be read now: the record stays, with that status. */
static void suspend(dxdb_followed *one, const char *why)
{
    snprintf(one->why, sizeof one->why, "%s", why);
    if (one->status != DXDB_OK) return;
    one->status = DXDB_UNAVAILABLE;
    drop_patch(one);
    one->patch_from = one->state.version;
    publish(one);
}

static void load(dxdb_followed *one);

/* Its record is the result of its last query. */
static void finish_load(dxdb_followed *one)
{
    one->is_loading = false;
    answer_watches(one, DXDB_OK, NULL);
    if (one->is_dirty) load(one);
}

/* Show the records whose patches are made. */
static void on_patch(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_follow *f = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    for (dxdb_patching **at = &f->patchings; *at;) {
        dxdb_patching *p = *at;
        dxdb_followed *one = p->user;
        if (!atomic_load(&p->is_done)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        if (one) {
            one->patching = NULL;
            set_patch(one, p->patch, p->patch_size);
            set_record(one, p->to, p->to_size, p->position);
            finish_load(one);
        }
        dxdb_patcher_free(p);
    }
    if (f->patchings && !dx_reactor_op_pending(op))
        (void)dx_reactor_timer(r, op, (uint64_t)PATCH_POLL_MS * 1000000);
}

static void on_loaded(dxdb_request *request, const dxdb_result *result)
{
    dxdb_followed *one = (dxdb_followed *)(void *)((char *)request -
                                                   offsetof(dxdb_followed, request));
    dxdb_follow *f = one->follow;
    one->is_loading = false;
    switch (result->status) {
    case DXDB_OK:
        one->failures = 0;
        replace_record(one, result);
        one->is_loading = one->patching != NULL;
        if (!one->is_ended && !one->patching) finish_load(one);
        break;
    case DXDB_TOO_MANY:
    case DXDB_UNAVAILABLE:
    case DXDB_TIMEOUT: {
        uint64_t wait_ms = (uint64_t)RETRY_MS << (one->failures < 6 ? one->failures : 6);
        if (wait_ms > RETRY_MAX_MS) wait_ms = RETRY_MAX_MS;
        one->failures++;
        one->is_dirty = true;
        one->due_ns = dx_reactor_now_ns(f->reactor) + wait_ms * 1000000;
        suspend(one, result->why);
        break;
    }
    default: end(one, result->status, result->why); break;
    }
}

static void load(dxdb_followed *one)
{
    dxdb_follow *f = one->follow;
    dxdb_result found;
    if (one->is_loading || one->is_ended || f->is_over || !f->results->catalog.is_up) return;
    const bool shared = one->is_shared && !one->record;
    one->is_loading = true;
    one->is_dirty = false;
    one->is_shared = false;
    one->due_ns = 0;
    one->loads++;
    one->request.answered = on_loaded;
    one->request.flight = NULL;
    if (shared && dxdb_results_get(f->results, one->query, one->values, &found)) {
        on_loaded(&one->request, &found);
        dxdb_results_release(f->results);
        return;
    }
    dxdb_results_load(f->results, one->query, one->values, shared, &one->request);
}

static dxdb_followed *new_followed(dxdb_follow *f, uint32_t query, const char *const *values)
{
    const uint32_t count = f->config->queries[query].parameter_count;
    const uint32_t key = key_of(f, query, values);
    dxdb_followed *one = prog_alloc(sizeof *one + dxdb_values_size(values, count));
    memset(one, 0, sizeof *one);
    dxdb_values_copy(values, count, one->values, one->texts);
    one->follow = f;
    one->query = query;
    one->status = DXDB_UNAVAILABLE;
    one->is_dirty = true;
    one->key = key;
    one->key_next = f->by_key[key];
    f->by_key[key] = one;
    f->numbers++;
    const uint64_t epoch = f->epochs ^ f->numbers;
    dx_states_begin(&one->state, f->numbers, epoch ? epoch : 1, 1);
    one->number_next = f->by_number[one->state.number % DXDB_FOLLOW_BUCKETS];
    f->by_number[one->state.number % DXDB_FOLLOW_BUCKETS] = one;
    one->next = f->all;
    if (f->all) f->all->prev = one;
    f->all = one;
    f->count++;
    place(one);
    return one;
}

/* >>calls of others ------------------------------------------------------------------- */
/* The reason why a query cannot be followed; NULL: it can. */
static const char *refusal(const dxdb_follow *f, uint32_t query, uint16_t *status)
{
    const dxdb_described *d = &f->results->catalog.queries[query];
    *status = DXDB_FAILED;
    if (!f->results->catalog.is_up) return NULL;
    if (!d->is_ready) return d->why;
    *status = DXDB_CONFLICT;
    if (d->is_tracked) return NULL;
    return f->config->replicates ? "it cannot be followed: not every table that it reads is in the "
                                   "publication of 'dxdb install-publication'"
                                 : "it cannot be followed: not every table that it reads has the "
                                   "trigger of 'dxdb install-triggers'";
}

void dxdb_follow_watch(dxdb_follow *f, uint32_t query, const char *const *values, bool fresh,
                       dxdb_watch *w)
{
    uint16_t status;
    const char *why = refusal(f, query, &status);
    const uint64_t now = dx_reactor_now_ns(f->reactor);
    w->waits = false;
    w->followed = NULL;
    dxdb_followed *one = why ? NULL : find_key(f, query, values);
    if (!why && !one && f->count >= f->config->states) {
        status = DXDB_UNAVAILABLE;
        why = "too many results are followed: [subscribe] states";
    }
    if (why || f->is_over) {
        w->ready(w, why ? status : DXDB_UNAVAILABLE, why ? why : "the server is shutting down");
        return;
    }
    if (!one) {
        one = new_followed(f, query, values);
        one->is_shared = !fresh;
    }
    w->followed = one;
    one->used_ns = now;
    if (one->status == DXDB_OK && !one->is_dirty && !one->is_loading && !fresh) {
        w->ready(w, DXDB_OK, NULL);
        return;
    }
    w->need = one->loads + (one->is_dirty || fresh || !one->is_loading);
    w->until_ns = now + f->config->request_ms * 1000000;
    w->waits = true;
    w->prev = NULL;
    w->next = one->watches;
    if (w->next) w->next->prev = w;
    one->watches = w;
    if (w->need > one->loads) one->is_dirty = true;
    if (!one->due_ns) load(one);
}

void dxdb_follow_forget(dxdb_watch *w)
{
    if (w->waits) unlink_watch(w);
}

bool dxdb_follow_has_epoch(const dxdb_follow *f, uint64_t epoch)
{
    const uint64_t number = epoch ^ f->epochs;
    const dxdb_followed *one = f->by_number[number % DXDB_FOLLOW_BUCKETS];
    while (one && one->state.number != number) one = one->number_next;
    return one && !one->is_ended;
}

void dxdb_follow_checksum(const dxdb_followed *f, uint8_t out[16])
{
    uint8_t hash[DX_SHA256_SIZE];
    dx_sha256_hash(f->record, f->record_size, hash);
    memcpy(out, hash, 16);
}

void dxdb_follow_listen(dxdb_followed *f, dxdb_listener *l)
{
    l->followed = f;
    l->prev = NULL;
    l->next = f->listeners;
    if (l->next) l->next->prev = l;
    f->listeners = l;
}

void dxdb_follow_leave(dxdb_listener *l)
{
    if (!l->followed) return;
    if (l->prev) l->prev->next = l->next;
    else l->followed->listeners = l->next;
    if (l->next) l->next->prev = l->prev;
    l->followed->used_ns = dx_reactor_now_ns(l->followed->follow->reactor);
    l->followed = NULL;
}

/* >>what the results tell -------------------------------------------------------------- */
static void mark(dxdb_followed *one)
{
    one->is_dirty = true;
    if (!one->due_ns) load(one);
}

/* Mark those in one bucket. A load that fails at once ends them, but removes none. */
static void mark_places(dxdb_follow *f, Oid root, uint32_t column, uint64_t hash)
{
    for (dxdb_place *p = f->by_change[bucket_of(root, column, hash)], *next; p; p = next) {
        next = p->next;
        if (p->root == root && p->column == column && p->hash == hash) mark(p->followed);
    }
}

static void on_changed(void *user, Oid root, const dxdb_change *change)
{
    dxdb_follow *f = user;
    const char *at = NULL;
    uint32_t column;
    uint64_t hash;
    if (!change->is_whole) {
        mark_places(f, root, 0, 0);
        while (dxdb_change_next(change, &at, &column, &hash)) mark_places(f, root, column, hash);
        return;
    }
    for (dxdb_followed *one = f->all, *next; one; one = next) {
        next = one->next;
        for (uint32_t i = 0; i < one->place_count; i++) {
            if (one->places[i].root != root) continue;
            mark(one);
            break;
        }
    }
}

static void on_down(void *user, const char *why)
{
    dxdb_follow *f = user;
    for (dxdb_followed *one = f->all, *next; one; one = next) {
        next = one->next;
        if (one->is_ended) continue;
        dxdb_results_forget(&one->request);
        abandon_patch(one);
        one->is_loading = false;
        one->is_dirty = true;
        one->due_ns = 0;
        suspend(one, why);
    }
}

static void on_up(void *user)
{
    dxdb_follow *f = user;
    for (dxdb_followed *one = f->all, *next; one; one = next) {
        const dxdb_described *d = &f->results->catalog.queries[one->query];
        uint16_t status;
        const char *why = refusal(f, one->query, &status);
        next = one->next;
        if (one->is_ended) continue;
        place(one);
        if (why) end(one, status, why);
        else if (one->record && d->rows.type.layout != one->layout)
            end(one, DXDB_GONE, "the schema has changed: the columns are others; describe it again");
        else load(one);
    }
}

/* >>all of it -------------------------------------------------------------------------- */
static void on_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_follow *f = dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(f->reactor);
    (void)flags;
    if (result < 0 || f->is_over) return;
    for (dxdb_followed *one = f->all, *next; one; one = next) {
        next = one->next;
        answer_late(one, now);
        if (one->watches || one->listeners || (one->state.count && !one->is_ended))
            one->used_ns = now;
        if (one->state.count) one->wanted_ns = now;
        if (one->is_ended ? now >= one->due_ns
                          : now - one->used_ns > (uint64_t)UNUSED_MS * 1000000) {
            remove_followed(one);
        } else if (!one->is_ended && one->due_ns && now >= one->due_ns) {
            load(one);
        }
    }
    (void)dx_reactor_timer(r, op, (uint64_t)TICK_MS * 1000000);
}

uint32_t dxdb_follow_capacity(const dxdb_config *config) { return config->connections * 4 + 64; }

int dxdb_follow_begin(dxdb_follow *f, dx_reactor *r, dxdb_results *results)
{
    const dxdb_config *config = results->config;
    dx_states_desc desc;
    memset(f, 0, sizeof *f);
    f->results = results;
    f->reactor = r;
    f->config = config;
    uint64_t seeds[2];
    if (!os_random(seeds, sizeof seeds)) return prog_fail_errno("the system's random numbers");
    f->seed = seeds[0];
    f->epochs = seeds[1];
    memset(&desc, 0, sizeof desc);
    desc.memory_size = (size_t)dxdb_follow_capacity(config) * SUBSCRIPTION_SIZE;
    desc.per_session_max = DXDB_SUBSCRIPTIONS_MAX;
    f->memory = desc.memory = prog_alloc(desc.memory_size);
    desc.scratch_size = DX_STATES_HEAD_SIZE + HEAD_SIZE + (size_t)config->result_max +
                        DXDB_TEXT_SIZE;
    f->scratch = desc.scratch = prog_alloc(desc.scratch_size);
    desc.find = on_find;
    desc.write = on_write;
    desc.wake = on_wake;
    desc.user = f;
    const int error = dx_states_init(&f->states, &desc);
    if (error)
        return prog_fail(PROG_SYSTEM, "cannot start subscriptions: %s", dx_states_error_name(error));
    dx_reactor_op_init(&f->tick_op, on_tick, f);
    dx_reactor_op_init(&f->send_op, on_send, f);
    dx_reactor_op_init(&f->patch_op, on_patch, f);
    (void)dx_reactor_timer(r, &f->tick_op, (uint64_t)TICK_MS * 1000000);
    results->follower.up = on_up;
    results->follower.down = on_down;
    results->follower.changed = on_changed;
    results->follower.user = f;
    return PROG_OK;
}

void dxdb_follow_measure(dxdb_follow *f)
{
    dxdb_metrics *m = &f->results->metrics;
    m->followed = f->count;
    m->followed_bytes = f->bytes;
    m->sent_patches = f->states.sent_changes;
    m->sent_wholes = f->states.sent_wholes;
    m->subscriptions = 0;
    for (const dxdb_followed *one = f->all; one; one = one->next) m->subscriptions += one->state.count;
}

void dxdb_follow_end(dxdb_follow *f)
{
    f->is_over = true;
    (void)dx_reactor_cancel(f->reactor, &f->tick_op);
    (void)dx_reactor_cancel(f->reactor, &f->send_op);
    for (dxdb_followed *one = f->all; one; one = one->next) {
        dxdb_results_forget(&one->request);
        abandon_patch(one);
    }
}

bool dxdb_follow_is_ended(const dxdb_follow *f)
{
    return !dx_reactor_op_pending(&f->tick_op) && !dx_reactor_op_pending(&f->send_op) &&
           !dx_reactor_op_pending(&f->patch_op) && !f->patchings;
}

void dxdb_follow_free(dxdb_follow *f)
{
    for (dxdb_followed *one = f->all, *next; one; one = next) {
        next = one->next;
        free(one->record);
        free(one->patch);
        free(one->places);
        free(one);
    }
    f->all = NULL;
    free(f->memory);
    free(f->scratch);
    f->memory = NULL;
    f->scratch = NULL;
}
