/* A stream over HBTP: a client uploads a text, and the server answers with a line for each part that
   it has stored. It refuses a second upload in the middle, because there is no more room.
   cc -O2 -o stream examples/stream/stream.c

   Credit is the back-pressure: the server grants 64 bytes, and later as many as it has stored, so a
   client has at most 64 bytes in flight, however fast it is. Nothing here touches the network: a
   real program has a socket between the two ends. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include <stdio.h>
#include <string.h>

enum { METHOD_UPLOAD = 1, WINDOW = 64, QUOTA = 200, ROOM = 1024, CHUNK_MAX = 40 };

typedef struct end { /* one end of a connection */
    dx_hbtp_session session;
    dx_hbtp_out     out;
    uint8_t         out_memory[ROOM];
    uint64_t        memory[512];
} end;

typedef struct upload { /* the client's side of a stream */
    const char *name;
    size_t      size;     /* bytes to send: letters from a to z, again and again */
    size_t      at;       /* bytes accepted by dx_hbtp_send() */
    size_t      at_once;  /* the most bytes that one pump() could send */
    uint32_t    stream;
    bool        finished;
    int         error;    /* how the stream ended */
    uint16_t    status;
} upload;

static uint8_t stored[QUOTA]; /* by the server */
static size_t  stored_size;

/* >>server: dx_hbtp_feed() calls these; data is valid until they return */
static int store(dx_hbtp_session *s, const dx_hbtp_stream_event *e)
{
    char line[32];
    int size;
    if (e->size > sizeof stored - stored_size)
        return DX_HBTP_STATUS_TOO_BIG; /* cancels the stream */
    if (!e->size) return 0; /* credit, and no data */
    memcpy(stored + stored_size, e->data, e->size);
    stored_size += e->size;
    size = snprintf(line, sizeof line, "stored %u", (unsigned)stored_size);
    if (dx_hbtp_send(s, e->stream, line, (size_t)size) < 0) return DX_HBTP_ECORRUPT;
    return dx_hbtp_grant(s, e->stream, (uint32_t)e->size); /* the client may send as many again */
}

static int on_server_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    switch (e->kind) {
    case DX_HBTP_STREAM_OPENED:
        stored_size = 0;
        if (e->method != METHOD_UPLOAD) return DX_HBTP_STATUS_NOT_FOUND;
        return dx_hbtp_grant(s, e->stream, WINDOW);
    case DX_HBTP_STREAM_CHUNK: return store(s, e);
    case DX_HBTP_STREAM_FINISHED: return dx_hbtp_finish(s, e->stream, 0, NULL);
    case DX_HBTP_STREAM_ENDED: return 0;
    }
    return 0;
}

/* >>client */
static int on_client_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    upload *u = (upload *)e->user;
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        printf("%s: %.*s\n", u->name, (int)e->size, (const char *)e->data);
        return dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
    }
    if (e->kind == DX_HBTP_STREAM_ENDED) {
        u->stream = 0; /* the handle is invalid from here on */
        u->error = e->error;
        u->status = e->status;
    }
    return 0;
}

/* Send what credit and the response buffer allow, then finish. Call it after each event that may
   have brought credit, and after each send on the socket, which makes room. */
static int pump(dx_hbtp_session *s, upload *u)
{
    size_t begun = u->at;
    while (u->stream && u->at < u->size) {
        char chunk[CHUNK_MAX];
        size_t size = u->size - u->at < sizeof chunk ? u->size - u->at : sizeof chunk;
        int64_t sent;
        for (size_t i = 0; i < size; i++) chunk[i] = (char)('a' + (u->at + i) % 26);
        sent = dx_hbtp_send(s, u->stream, chunk, size);
        if (sent < 0) return (int)sent;
        u->at += (size_t)sent;
        if (!sent) break; /* no credit, or no room */
    }
    if (u->at - begun > u->at_once) u->at_once = u->at - begun;
    if (!u->stream || u->at < u->size || u->finished) return 0;
    u->finished = true;
    return dx_hbtp_finish(s, u->stream, 0, NULL);
}

/* >>wire */
static int start(end *e, dx_hbtp_stream_fn *on_stream)
{
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.memory = e->memory;
    d.memory_size = sizeof e->memory; /* or what dx_hbtp_session_memory_size() says */
    d.out = &e->out;
    d.payload_max = 256;
    d.streams_max = 4;
    d.on_stream = on_stream;
    return dx_hbtp_out_init(&e->out, e->out_memory, sizeof e->out_memory) ||
           dx_hbtp_session_init(&e->session, &d);
}

/* Stands for a socket: hands the output of one end to the other. Returns the bytes moved. */
static size_t carry(end *from, end *to)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&from->out, &size);
    const int64_t used = dx_hbtp_feed(&to->session, bytes, size, 1);
    if (used > 0) dx_hbtp_out_consume(&from->out, (size_t)used);
    (void)dx_hbtp_feed(&from->session, NULL, 0, 1); /* writes frames that waited for room */
    return used > 0 ? (size_t)used : 0;
}

static int send_all(end *client, end *server, upload *u)
{
    size_t moved;
    int error = dx_hbtp_open(&client->session, METHOD_UPLOAD, u->name, strlen(u->name), 1024, u,
                             &u->stream);
    do {
        if (!error) error = pump(&client->session, u);
        moved = carry(client, server) + carry(server, client);
    } while (!error && moved);
    printf("%s: %s, status %u, %u of %u bytes accepted, at most %u at once\n", u->name,
           dx_hbtp_error_name(u->error), (unsigned)u->status, (unsigned)u->at, (unsigned)u->size,
           (unsigned)u->at_once);
    return error;
}

int main(void)
{
    static end server, client;
    upload small = {"small", 150, 0, 0, 0, false, 0, 0};
    upload large = {"large", 1000, 0, 0, 0, false, 0, 0}; /* more than the server's quota */
    if (start(&server, on_server_stream) || start(&client, on_client_stream)) return 1;
    if (send_all(&client, &server, &small) || small.error) return 2;
    for (size_t i = 0; i < small.size; i++)
        if (stored[i] != 'a' + i % 26) return 3;
    if (send_all(&client, &server, &large) || large.error != DX_HBTP_EREMOTE) return 4;
    return stored_size > QUOTA || small.at_once > WINDOW || !dx_hbtp_is_idle(&client.session);
}
