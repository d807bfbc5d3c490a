/* The connection that receives changes by logical replication. See stream.h.

       IDLE --start--> CREATING --the slot is there--> STARTING --CopyBoth--> ON
        ^                                                                     |
        '-------------------------------- lost ------------------------------' */
#include "stream.h"

#include <string.h>

enum { IDLE, CREATING, STARTING, ON };

enum { SILENT_MAX_MS = 10000, SILENT_BEATS_MAX = 3 }; /* without an answer: the longer one of these */

#define SECONDS_TO_2000 INT64_C(946684800)

static void report(dxdb_stream *s, bool wants_reply)
{
    uint8_t status[DXDB_PGOUTPUT_STATUS_SIZE];
    const int64_t now_us = prog_time_ns() / 1000 - SECONDS_TO_2000 * 1000000;
    dxdb_pgoutput_write_status(status, s->gather.position, now_us, wants_reply);
    if (dxdb_connection_copy(&s->connection, status, sizeof status)) s->reported = s->gather.position;
}

static void create_slot(dxdb_stream *s)
{
    char command[128];
    if (!s->is_wanted || !s->connection.is_open || s->phase != IDLE) return;
    s->phase = CREATING;
    snprintf(s->slot, sizeof s->slot, "dxdb_%016llx", (unsigned long long)s->connection.random);
    snprintf(command, sizeof command,
             "CREATE_REPLICATION_SLOT %s TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT", s->slot);
    (void)dxdb_connection_command(&s->connection, command);
}

static void on_opened(dxdb_connection *c) { create_slot(c->user); }

/* The name of the publication was checked (config.c): it needs no escapes. */
static void start_replication(dxdb_stream *s)
{
    char command[256];
    s->phase = STARTING;
    snprintf(command, sizeof command, "START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', "
             "publication_names '\"%s\"')", s->slot, s->config->publication);
    (void)dxdb_connection_command(&s->connection, command);
}

static void on_answered(dxdb_connection *c, PGresult *result)
{
    dxdb_stream *s = c->user;
    const ExecStatusType status = PQresultStatus(result);
    const char *encoding = PQparameterStatus(c->pg, "server_encoding");
    if (s->phase == CREATING && status == PGRES_TUPLES_OK) {
        start_replication(s);
    } else if (s->phase == STARTING && status == PGRES_COPY_BOTH) {
        s->phase = ON;
        s->is_on = true;
        s->reported = 0;
        s->heard_ns = dx_reactor_now_ns(s->reactor);
        s->gather.is_one_key_text = encoding && !strcmp(encoding, "UTF8");
        s->calls->started(s);
    } else {
        dxdb_connection_fail(c, PQresultErrorMessage(result));
    }
}

static void on_notified(dxdb_connection *c, const char *channel, const char *payload)
{
    (void)c;
    (void)channel;
    (void)payload;
}

static void on_copied(dxdb_connection *c, const void *bytes, size_t size)
{
    dxdb_stream *s = c->user;
    dxdb_pgoutput message;
    char text[DXDB_TEXT_SIZE];
    s->heard_ns = dx_reactor_now_ns(s->reactor);
    const char *why = dxdb_pgoutput_read(&message, bytes, size);
    if (!why) why = dxdb_gather_take(&s->gather, &message);
    if (why) {
        snprintf(text, sizeof text, "what replication sends is not understood: %s", why);
        dxdb_connection_drop(c, text);
        return;
    }
    if (message.kind == DXDB_PGOUTPUT_KEEPALIVE && message.wants_reply) report(s, false);
    if (s->gather.waiting >= DXDB_GATHER_QUEUE_MAX) dxdb_connection_pause(c);
}

/* The server is told the position at once: with synchronous_standby_names it may wait for it, and it
   tells how far it is only while its own position is ahead. */
static void on_drained(dxdb_connection *c)
{
    dxdb_stream *s = c->user;
    if (s->gather.position != s->reported) report(s, false);
    if (s->is_on) s->calls->moved(s);
}

static void on_lost(dxdb_connection *c, const char *why)
{
    dxdb_stream *s = c->user;
    s->phase = IDLE;
    s->is_on = false;
    dxdb_gather_reset(&s->gather);
    s->calls->lost(s, why);
}

static const dxdb_connection_calls connection_calls = {on_opened, on_answered, on_notified, on_lost,
                                                       on_copied, on_drained};

void dxdb_stream_begin(dxdb_stream *s, dx_reactor *r, const dxdb_config *config,
                       const dxdb_stream_calls *calls, void *user, const dxdb_gather_calls *keys,
                       uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->user = user;
    s->config = config;
    s->calls = calls;
    s->reactor = r;
    s->gather.calls = keys;
    dxdb_connection_begin_replication(&s->connection, r, config->url, &connection_calls, s, seed);
}

void dxdb_stream_start(dxdb_stream *s)
{
    s->is_wanted = true;
    create_slot(s);
}

void dxdb_stream_stop(dxdb_stream *s, const char *why)
{
    s->is_wanted = false;
    if (s->phase != IDLE) dxdb_connection_drop(&s->connection, why);
    s->is_on = false;
    dxdb_gather_reset(&s->gather);
}

void dxdb_stream_beat(dxdb_stream *s)
{
    const uint64_t now = dx_reactor_now_ns(s->reactor);
    uint64_t silent_ms = SILENT_BEATS_MAX * s->config->heartbeat_ms;
    if (!s->is_on) return;
    if (silent_ms < SILENT_MAX_MS) silent_ms = SILENT_MAX_MS;
    if (!s->connection.is_paused && now - s->heard_ns > silent_ms * 1000000)
        dxdb_connection_drop(&s->connection, "the replication does not answer");
    else report(s, true);
}

void dxdb_stream_see(dxdb_stream *s, const char *snapshot,
                     void (*tell)(void *user, const dxdb_committed *t), void *user)
{
    for (dxdb_committed **at = &s->gather.first; *at;) {
        if (dxdb_snapshot_has(snapshot, (*at)->xid)) {
            tell(user, *at);
            dxdb_gather_remove(&s->gather, at);
        } else {
            at = &(*at)->next;
        }
    }
    if (s->gather.waiting < DXDB_GATHER_QUEUE_MAX / 2) dxdb_connection_resume(&s->connection);
}

void dxdb_stream_end(dxdb_stream *s) { dxdb_connection_end(&s->connection); }

bool dxdb_stream_is_ended(const dxdb_stream *s) { return dxdb_connection_is_ended(&s->connection); }

void dxdb_stream_free(dxdb_stream *s) { dxdb_gather_reset(&s->gather); }
