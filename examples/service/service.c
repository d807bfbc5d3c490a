/* A service over TCP: HBTP requests pass through middleware to handlers, on the event loop. Its client
   is in the same program, so that you see all of it run.
   cc -O2 -o service examples/service/service.c -lpthread

       dx_reactor.h    sockets and time
       dx_peers.h      connections: buffers, back-pressure, idle limits, draining
       dx_hbtp.h       a session for each connection: bytes in, answers out

   The word that dx_peers keeps for a connection is the number of its place in `connections`, from 1
   on; 0: none was free. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_peers.h"
#include <stdio.h>
#include <string.h>

enum { CONNECTIONS = 16, PAYLOAD_MAX = 1024, ROOM = 4096, METHOD_UPPER = 1, METHODLESS = 99 };
#define SECOND 1000000000u

typedef struct connection { /* answers lie in `room` until dx_peers takes them */
    dx_hbtp_session session;
    dx_hbtp_out     out;
    uint64_t        memory[1024];
    uint8_t         room[ROOM];
    bool            used;
} connection;

static connection connections[1 + CONNECTIONS]; /* [0] is the client's */
static unsigned   calls, answers;

/* >>middleware: count every call, refuse those that begin with '!' */
static inline int count_before(const dx_hbtp_context *c)
{
    ++*(unsigned *)c->user;
    return 0;
}
static inline int count_after(const dx_hbtp_context *c, int result)
{
    (void)c;
    return result;
}
static inline int admit_before(const dx_hbtp_context *c)
{
    return c->payload_size && c->payload[0] == '!' ? DX_HBTP_STATUS_UNAUTHORIZED : 0;
}
static inline int admit_after(const dx_hbtp_context *c, int result)
{
    (void)c;
    return result;
}

/* The method: the answer is made where it is sent from. */
static int upper(const dx_hbtp_context *c)
{
    uint8_t *to = dx_hbtp_out_next(c->out);
    if (dx_hbtp_out_room(c->out) < DX_HBTP_HEADER_SIZE + c->payload_size)
        return DX_HBTP_ENOSPACE; /* called again when there is room */
    for (size_t i = 0; i < c->payload_size; i++) {
        const uint8_t byte = c->payload[i];
        to[i] = byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
    }
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, to, c->payload_size);
}
DX_HBTP_CHAIN(guarded_upper, upper, count, admit)

/* >>connections */
static connection *connection_of(dx_peers *s, dx_peers_id id)
{
    const uint64_t *place = dx_peers_data(s, id);
    return place && *place ? &connections[*place - 1] : NULL;
}

static int begin(connection *k, const dx_hbtp_router *router, dx_hbtp_result_fn *on_result)
{
    dx_hbtp_session_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = k->memory;
    desc.memory_size = sizeof k->memory; /* or what dx_hbtp_session_memory_size() says */
    desc.payload_max = PAYLOAD_MAX;
    desc.out = &k->out;
    desc.router = router;
    desc.on_result = on_result;
    k->used = true;
    return dx_hbtp_out_init(&k->out, k->room, sizeof k->room) ||
           dx_hbtp_session_init(&k->session, &desc);
}

/* Hand on what the session has to say. False: no room; `drained` comes when there is some. */
static bool flush(dx_peers *s, dx_peers_id id, connection *k)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&k->out, &size);
    if (!size) return true;
    if (dx_peers_send(s, id, bytes, (uint32_t)size) != DX_PEERS_OK) return false;
    return dx_hbtp_out_consume(&k->out, size) == DX_HBTP_OK;
}

/* Feed and flush until the session wants more input, or there is no room for its output. Returns
   the bytes consumed; the others come again. */
static size_t drive(dx_peers *s, dx_peers_id id, connection *k, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    bool more = flush(s, id, k);
    while (more) {
        const int64_t used = dx_hbtp_feed(&k->session, at < size ? bytes + at : NULL, size - at, 0);
        if (used > 0) at += (size_t)used;
        more = flush(s, id, k) && k->session.state != DX_HBTP_WANTS_INPUT &&
               k->session.state != DX_HBTP_CLOSED;
    }
    return at;
}

static size_t received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    connection *k = connection_of(s, id);
    const size_t used = k ? drive(s, id, k, bytes, size) : size;
    if (k && k->session.state != DX_HBTP_CLOSED && !last) return used;
    dx_peers_close(s, id, false); /* after the queued bytes are sent */
    return size;
}

static void drained(dx_peers *s, dx_peers_id id)
{
    connection *k = connection_of(s, id);
    if (k) drive(s, id, k, NULL, 0);
}

static void opened(dx_peers *s, dx_peers_id id) /* to the server */
{
    for (uint64_t i = 1; i <= CONNECTIONS; i++)
        if (!connections[i].used) {
            if (begin(&connections[i], (const dx_hbtp_router *)s->desc.user, NULL)) break;
            *dx_peers_data(s, id) = i + 1;
            return;
        }
    dx_peers_close(s, id, true);
}

static void closed(dx_peers *s, dx_peers_id id, int32_t reason)
{
    connection *k = connection_of(s, id);
    (void)reason;
    if (!k) return;
    dx_hbtp_abort(&k->session); /* what waits for an answer ends with ECANCELED */
    k->used = false;
}

/* >>client */
static void answered(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    const char *text = r->payload ? (const char *)r->payload : "";
    printf("%s, status %u: %.*s\n", dx_hbtp_error_name(r->error), (unsigned)r->status,
           (int)r->payload_size, text);
    if (++answers == 3) dx_hbtp_close(s, DX_HBTP_STATUS_NONE, NULL);
}

/* A deadline would need dx_hbtp_tick() from a timer; idle_ns ends a connection that is silent. */
static void call(connection *k, uint8_t method, const char *text)
{
    dx_hbtp_call(&k->session, method, text, strlen(text), UINT64_MAX, NULL, NULL);
}

int main(void)
{
    static uint64_t memory[3][1 << 16];
    static dx_reactor r;
    static dx_peers server, client;
    static dx_hbtp_router router;
    dx_reactor_desc desc;
    dx_peers_desc peers;
    dx_reactor_address at;
    dx_peers_id id;
    int listening, fd;

    memset(&desc, 0, sizeof desc);
    desc.memory = memory[0];
    desc.memory_size = sizeof memory[0]; /* or what dx_reactor_memory_size() says, and so on */
    desc.buffer_count = 8;
    if (dx_reactor_open(&r, &desc)) return 1;

    memset(&peers, 0, sizeof peers);
    peers.memory = memory[1];
    peers.memory_size = sizeof memory[1];
    peers.peers_max = CONNECTIONS;
    peers.block_count = 16;
    peers.idle_ns = (uint64_t)60 * SECOND;
    peers.received = received;
    peers.drained = drained;
    peers.closed = closed;
    peers.opened = opened;
    peers.user = &router;
    dx_hbtp_router_init(&router);
    dx_hbtp_router_set_method(&router, METHOD_UPPER, guarded_upper, &calls);
    dx_reactor_address_parse(&at, "127.0.0.1:0");
    if (dx_peers_open(&server, &r, &peers)) return 2;
    if (dx_reactor_listen(&r, &at, 0, 0, &listening, &at)) return 3;
    if (dx_peers_listen(&server, listening)) return 3;

    peers.memory = memory[2];
    peers.opened = NULL;
    peers.receive_when_full = true; /* who asks, reads */
    if (dx_peers_open(&client, &r, &peers) || begin(&connections[0], NULL, answered)) return 4;
    if (dx_reactor_socket(&r, &at, DX_REACTOR_NODELAY, &fd)) return 5;
    if (dx_peers_add(&client, fd, &at, &id)) return 6;
    *dx_peers_data(&client, id) = 1;
    call(&connections[0], METHOD_UPPER, "hello");
    call(&connections[0], METHOD_UPPER, "!hello");
    call(&connections[0], METHODLESS, "");
    flush(&client, id, &connections[0]); /* goes out when it is connected */

    while (client.count && dx_reactor_run_once(&r, 2 * (uint64_t)SECOND) > 0) {}
    dx_peers_drain(&server, SECOND);
    while (server.count && dx_reactor_run_once(&r, 2 * (uint64_t)SECOND) > 0) {}
    printf("%u calls were counted\n", calls);
    return dx_reactor_close(&r) || answers != 3;
}
