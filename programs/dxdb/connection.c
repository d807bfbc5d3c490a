/* One connection to PostgreSQL on the event loop. See connection.h.

       WAITING --timer--> CONNECTING --PQconnectPoll--> OPEN
          ^                   |                          |
          |                   v                          v
          '------------- CLOSING: operations on the descriptor end, then libpq closes it

   libpq owns the descriptor. It may be closed only when no operation of the event loop is pending on
   it, so a close takes effect on a later iteration of the loop. */
#include "connection.h"

#include <assert.h>
#include <string.h>

enum { WAITING, CONNECTING, OPEN, CLOSING, LEAVING, ENDED }; /* LEAVING: CLOSING without reconnecting */

#define MILLISECOND ((uint64_t)1000000) /* ns */

enum {
    FIRST_WAIT_MS = 100,
    DOUBLINGS     = 6,    /* 6.4 s, more than the longest wait */
    WAIT_MAX_MS   = 5000,
    CONNECT_MS    = 10000, /* per attempt */
    STEADY_MS     = 5000   /* a connection that lasted this long resets the back-off */
};

/* Behind the severity, and behind the SQLSTATE that follows in verbose messages. state: NULL, or holds it. */
static const char *skip_head(const char *text, char state[6])
{
    const char *severity = strstr(text, ":  ");
    const char *line = strchr(text, '\n');
    if (!severity || (line && severity > line)) return text;
    text = severity + 3;
    const size_t size = strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (size != 5 || strncmp(text + size, ": ", 2)) return text;
    if (state) memcpy(state, text, size);
    return text + size + 2;
}

void dxdb_first_line(char *out, size_t size, const char *text)
{
    text = skip_head(text, NULL);
    const size_t length = strcspn(text, "\n");
    snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), text);
}

static void on_ready(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);
static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags);

/* The next pseudo-random number (xorshift64). */
static uint64_t next_random(dxdb_connection *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static void wait_again(dxdb_connection *c)
{
    const uint32_t doublings = c->failures < DOUBLINGS ? c->failures : DOUBLINGS;
    uint64_t wait_ms = (uint64_t)FIRST_WAIT_MS << doublings;
    if (wait_ms > WAIT_MAX_MS) wait_ms = WAIT_MAX_MS;
    wait_ms -= next_random(c) % (wait_ms / 2 + 1);
    c->failures++;
    c->phase = WAITING;
    (void)dx_reactor_timer(c->reactor, &c->timer_op, wait_ms * MILLISECOND);
}

/* Close when no operation is pending. */
static void close_if_idle(dxdb_connection *c)
{
    const bool forever = c->phase == LEAVING;
    assert(c->phase == CLOSING || forever);
    if (dx_reactor_op_pending(&c->read_op) || dx_reactor_op_pending(&c->write_op) ||
        dx_reactor_op_pending(&c->timer_op))
        return;
    if (c->fd >= 0) (void)dx_reactor_forget(c->reactor, c->fd);
    c->fd = -1;
    PQclear(c->reply);
    c->reply = NULL;
    if (c->pg) PQfinish(c->pg);
    c->pg = NULL;
    c->unanswered = 0;
    if (!forever) wait_again(c);
    else c->phase = ENDED;
    if (!forever) c->calls->lost(c, c->why);
}

/* Cancel the operations; the last one that ends closes. If none is pending, start a timer that does. */
static void begin_close(dxdb_connection *c, int phase)
{
    c->is_open = false;
    c->phase = phase;
    (void)dx_reactor_cancel(c->reactor, &c->read_op);
    (void)dx_reactor_cancel(c->reactor, &c->write_op);
    (void)dx_reactor_cancel(c->reactor, &c->timer_op);
    if (!dx_reactor_op_pending(&c->read_op) && !dx_reactor_op_pending(&c->write_op) &&
        !dx_reactor_op_pending(&c->timer_op))
        (void)dx_reactor_timer(c->reactor, &c->timer_op, 0);
}

/* What is said of an SQLSTATE to those who may not know names of roles, hosts and files. */
static const char *reason_of(const char *state)
{
    static const struct { const char *state; const char *reason; } reasons[] = {
        {"28", "it refuses the role"},
        {"3D", "it has no database of this name"},
        {"57P03", "it is starting or stopping"},
        {"57P", "it has ended the connection"},
        {"53300", "it has no free connection: max_connections"},
        {"53400", "no replication slot is free: max_replication_slots"},
        {"42501", "the role lacks a right"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!strncmp(state, reasons[i].state, strlen(reasons[i].state))) return reasons[i].reason;
    return *state ? "it reports an error" : "there is no connection";
}

void dxdb_connection_fail(dxdb_connection *c, const char *message)
{
    char state[6] = "";
    if (c->last[0]) message = c->last;
    (void)skip_head(message, state);
    dxdb_connection_drop_for(c, message, reason_of(state));
}

void dxdb_connection_drop(dxdb_connection *c, const char *why)
{
    dxdb_connection_drop_for(c, why, why);
}

void dxdb_connection_drop_for(dxdb_connection *c, const char *why, const char *reason)
{
    if (c->phase != CONNECTING && c->phase != OPEN) return;
    const uint64_t lived = dx_reactor_now_ns(c->reactor) - c->opened_ns;
    if (c->phase == OPEN && lived >= STEADY_MS * MILLISECOND) c->failures = 0;
    dxdb_first_line(c->why, sizeof c->why, why);
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    begin_close(c, CLOSING);
}

void dxdb_connection_end(dxdb_connection *c)
{
    if (c->phase != LEAVING && c->phase != ENDED) begin_close(c, LEAVING);
}

bool dxdb_connection_is_ended(const dxdb_connection *c)
{
    return c->phase == ENDED;
}

/* Have on_ready() called when the descriptor is ready. */
static void watch(dxdb_connection *c, dx_op *op, uint32_t interest)
{
    if (dx_reactor_op_pending(op)) return;
    c->fd = PQsocket(c->pg);
    if (c->fd < 0 || dx_reactor_poll(c->reactor, op, c->fd, interest))
        dxdb_connection_drop(c, "the event loop has no room for the connection");
}

/* Continue connecting. libpq may close the descriptor meanwhile and open another. */
static void step(dxdb_connection *c)
{
    if (c->fd >= 0) (void)dx_reactor_forget(c->reactor, c->fd);
    c->fd = -1;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING: watch(c, &c->read_op, DX_REACTOR_READABLE); break;
    case PGRES_POLLING_WRITING: watch(c, &c->write_op, DX_REACTOR_WRITABLE); break;
    case PGRES_POLLING_OK:
        (void)dx_reactor_cancel(c->reactor, &c->timer_op);
        if (PQsetnonblocking(c->pg, 1) || (!c->replicates && !PQenterPipelineMode(c->pg))) {
            dxdb_connection_fail(c, PQerrorMessage(c->pg));
            break;
        }
        c->phase = OPEN;
        c->is_open = true;
        c->opened_ns = dx_reactor_now_ns(c->reactor);
        watch(c, &c->read_op, DX_REACTOR_READABLE);
        if (c->is_open) c->calls->opened(c);
        break;
    default: dxdb_connection_fail(c, PQerrorMessage(c->pg)); break;
    }
}

void dxdb_notice(void *user, const PGresult *notice)
{
    dxdb_connection *c = user;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    char text[DXDB_TEXT_SIZE];
    if (!severity) severity = "";
    if (c && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC"))) {
        snprintf(c->last, sizeof c->last, "%s", PQresultErrorMessage(notice));
    } else if (!strcmp(severity, "WARNING")) {
        dxdb_first_line(text, sizeof text, PQresultErrorMessage(notice));
        prog_warn("the database warns: %s", text);
    }
}

static void attempt(dxdb_connection *c)
{
    const char *const names[] = {"dbname", "replication", "client_encoding", "application_name", NULL};
    const char *const values[] = {c->url, "database", "UTF8", "dxdb replication", NULL};
    c->phase = CONNECTING;
    c->is_copying = c->is_paused = false;
    c->last[0] = 0;
    c->pg = c->replicates ? PQconnectStartParams(names, values, 1) : PQconnectStart(c->url);
    c->opened_ns = dx_reactor_now_ns(c->reactor);
    if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
        dxdb_connection_fail(c, c->pg ? PQerrorMessage(c->pg) : "no memory");
        return;
    }
    (void)PQsetNoticeReceiver(c->pg, dxdb_notice, c);
    (void)PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE); /* with the SQLSTATE, for reason_of() */
    (void)dx_reactor_timer(c->reactor, &c->timer_op, CONNECT_MS * MILLISECOND);
    watch(c, &c->write_op, DX_REACTOR_WRITABLE);
}

static void read_notifications(dxdb_connection *c)
{
    PGnotify *n;
    while (c->is_open && (n = PQnotifies(c->pg)) != NULL) {
        c->calls->notified(c, n->relname, n->extra);
        PQfreemem(n);
    }
}

/* Deliver all available answers. libpq marks the end of each command's answer by a NULL; two in a
   row would mean that libpq has fewer commands outstanding than this file. */
static void read_answers(dxdb_connection *c)
{
    bool ended = false;
    while (c->is_open && c->unanswered && !PQisBusy(c->pg)) {
        PGresult *result = PQgetResult(c->pg);
        if (!result && ended) {
            dxdb_connection_drop(c, "an answer is missing");
            return;
        }
        ended = !result;
        if (!result) continue;
        c->unanswered--;
        read_notifications(c); /* those before this answer */
        if (c->is_open) c->calls->answered(c, result);
        PQclear(result);
    }
}

/* The same for replication, where another command may be sent only when the end of the answer is read. */
static void read_reply(dxdb_connection *c)
{
    while (c->is_open && c->unanswered && !c->is_copying && !PQisBusy(c->pg)) {
        PGresult *result = PQgetResult(c->pg);
        c->is_copying = result && PQresultStatus(result) == PGRES_COPY_BOTH;
        if (result) {
            PQclear(c->reply);
            c->reply = result;
            if (!c->is_copying) continue;
        }
        result = c->reply;
        c->reply = NULL;
        c->unanswered--;
        if (result) c->calls->answered(c, result);
        else dxdb_connection_drop(c, "an answer is missing");
        PQclear(result);
    }
}

/* Deliver all messages that have arrived. */
static void read_copies(dxdb_connection *c)
{
    char *bytes;
    int size = 0;
    while (c->is_open && c->is_copying && !c->is_paused && (size = PQgetCopyData(c->pg, &bytes, 1)) > 0) {
        c->calls->copied(c, bytes, (size_t)size);
        PQfreemem(bytes);
    }
    if (!c->is_open || !c->is_copying) return;
    if (size < 0) { /* the server has ended it: the reason is in its answer, if it has arrived */
        PGresult *result = PQisBusy(c->pg) ? NULL : PQgetResult(c->pg);
        const char *why = result ? PQresultErrorMessage(result) : PQerrorMessage(c->pg);
        dxdb_connection_fail(c, *why ? why : "the server has ended the replication");
        PQclear(result);
        return;
    }
    c->calls->drained(c);
}

static void flush(dxdb_connection *c)
{
    const int left = PQflush(c->pg);
    if (left < 0) dxdb_connection_fail(c, PQerrorMessage(c->pg));
    else if (left) watch(c, &c->write_op, DX_REACTOR_WRITABLE);
}

/* Deliver notifications before the answers of the same read: a receiver of a result has then seen
   every change that the server reported before it. */
static void receive(dxdb_connection *c)
{
    if (!PQconsumeInput(c->pg)) {
        read_notifications(c);
        dxdb_connection_fail(c, PQerrorMessage(c->pg));
        return;
    }
    read_notifications(c);
    if (c->replicates) read_reply(c);
    else read_answers(c);
    read_copies(c);
    read_notifications(c);
    if (c->is_open) flush(c);
    if (c->is_open && !c->is_paused) watch(c, &c->read_op, DX_REACTOR_READABLE);
}

static void on_ready(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_connection *c = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    if (c->phase == CLOSING || c->phase == LEAVING) close_if_idle(c);
    else if (result < 0) dxdb_connection_drop(c, "the descriptor cannot be watched");
    else if (c->phase == CONNECTING) step(c);
    else if (op == &c->read_op) receive(c);
    else flush(c);
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_connection *c = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    if (c->phase == CLOSING || c->phase == LEAVING) close_if_idle(c);
    else if (result < 0) return;
    else if (c->phase == WAITING) attempt(c);
    else if (c->phase == CONNECTING) dxdb_connection_drop(c, "no answer in time");
}

void dxdb_connection_begin(dxdb_connection *c, dx_reactor *r, const char *url,
                           const dxdb_connection_calls *calls, void *user, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->user = user;
    c->calls = calls;
    c->url = url;
    c->reactor = r;
    c->fd = -1;
    c->phase = WAITING;
    c->random = seed ? seed : 1;
    dx_reactor_op_init(&c->read_op, on_ready, c);
    dx_reactor_op_init(&c->write_op, on_ready, c);
    dx_reactor_op_init(&c->timer_op, on_timer, c);
    (void)dx_reactor_timer(r, &c->timer_op, 0);
}

void dxdb_connection_begin_replication(dxdb_connection *c, dx_reactor *r, const char *url,
                                       const dxdb_connection_calls *calls, void *user, uint64_t seed)
{
    dxdb_connection_begin(c, r, url, calls, user, seed);
    c->replicates = true;
}

/* Count a command that libpq has taken. done: the result of its call. */
static bool sent(dxdb_connection *c, int done)
{
    if (done) c->unanswered++;
    else dxdb_connection_fail(c, PQerrorMessage(c->pg));
    return done != 0;
}

bool dxdb_connection_run(dxdb_connection *c, const char *sql, int count, const char *const *values)
{
    return c->is_open &&
           sent(c, PQsendQueryParams(c->pg, sql, count, NULL, values, NULL, NULL, 0));
}

bool dxdb_connection_prepare(dxdb_connection *c, const char *name, const char *sql, int count,
                             const Oid *types)
{
    return c->is_open && sent(c, PQsendPrepare(c->pg, name, sql, count, types));
}

bool dxdb_connection_describe(dxdb_connection *c, const char *name)
{
    return c->is_open && sent(c, PQsendDescribePrepared(c->pg, name));
}

bool dxdb_connection_execute(dxdb_connection *c, const char *name, int count,
                             const char *const *values)
{
    return c->is_open &&
           sent(c, PQsendQueryPrepared(c->pg, name, count, values, NULL, NULL, 0));
}

bool dxdb_connection_command(dxdb_connection *c, const char *command)
{
    if (!c->is_open || !sent(c, PQsendQuery(c->pg, command))) return false;
    flush(c);
    return c->is_open;
}

bool dxdb_connection_copy(dxdb_connection *c, const void *bytes, size_t size)
{
    if (!c->is_open || !c->is_copying) return false;
    if (PQputCopyData(c->pg, bytes, (int)size) != 1) {
        dxdb_connection_fail(c, PQerrorMessage(c->pg));
        return false;
    }
    flush(c);
    return c->is_open;
}

void dxdb_connection_pause(dxdb_connection *c) { c->is_paused = true; }

/* What libpq has read already makes no descriptor readable: it is delivered first. */
void dxdb_connection_resume(dxdb_connection *c)
{
    if (!c->is_open || !c->is_paused) return;
    c->is_paused = false;
    read_copies(c);
    if (c->is_open && !c->is_paused) watch(c, &c->read_op, DX_REACTOR_READABLE);
}

bool dxdb_connection_sync(dxdb_connection *c)
{
    if (!c->is_open || !sent(c, PQpipelineSync(c->pg))) return false;
    flush(c);
    return c->is_open;
}
