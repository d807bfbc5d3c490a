/* A client and a server in one process: a ping, two calls and a small file over HBTP.
   cc -O2 -o hello_hbtp examples/hello/hello_hbtp.c

   Nothing here touches the network: each side hands the other the bytes of its response buffer, a
   few at a time. In a real program a socket stands between them. */
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include <stdio.h>
#include <string.h>

enum { METHOD_REVERSE = 1, METHOD_FETCH = 2 };
#define SECOND 1000000000u

static const char file[] = "This file travels in pieces of sixteen bytes.";
static char received[sizeof file];
static size_t received_size;
static int answers;

/* Server: the answer is written straight into the response buffer. */
static int on_reverse(const dx_hbtp_context *c)
{
    uint8_t *result = dx_hbtp_out_next(c->out);
    if (dx_hbtp_out_room(c->out) < DX_HBTP_HEADER_SIZE + c->payload_size)
        return DX_HBTP_ENOSPACE; /* we are called again when there is room */
    for (size_t i = 0; i < c->payload_size; i++)
        result[i] = c->payload[c->payload_size - 1 - i];
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, result, c->payload_size);
}

/* Server: an answer, then the file as FileChunk frames. */
static int on_fetch(const dx_hbtp_context *c)
{
    uint64_t offset = 0;
    int error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, "ok", 2);
    while (!error && offset < sizeof file) {
        dx_hbtp_file_chunk chunk;
        size_t left = sizeof file - (size_t)offset;
        chunk.transfer = 1;
        chunk.offset = offset;
        chunk.data = (const uint8_t *)file + offset;
        chunk.data_size = left < 16 ? (uint32_t)left : 16;
        chunk.final = chunk.data_size == left;
        error = dx_hbtp_write_file_chunk(c->out, c->frame->sequence, &chunk);
        offset += chunk.data_size;
    }
    return error;
}

/* Client: pieces of the file, checked, in place. */
static int on_chunk(const dx_hbtp_context *c)
{
    dx_hbtp_file_chunk chunk;
    int error = dx_hbtp_parse_file_chunk(c->frame, &chunk);
    if (error) return error;
    if (chunk.offset != received_size || chunk.data_size > sizeof received - received_size)
        return DX_HBTP_ECORRUPT;
    memcpy(received + received_size, chunk.data, chunk.data_size);
    received_size += chunk.data_size;
    if (chunk.final) printf("file: %s\n", received);
    return DX_HBTP_OK;
}

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    (void)s;
    answers++;
    printf("%s: %s %u \"%.*s\"\n", (const char *)r->user, dx_hbtp_error_name(r->error),
           (unsigned)r->status, (int)r->payload_size, (const char *)r->payload);
}

/* Everything that `from` wants to say, seven bytes at a time. */
static void carry(dx_hbtp_out *from, dx_hbtp_session *to)
{
    for (;;) {
        size_t size;
        const uint8_t *bytes = dx_hbtp_out_data(from, &size);
        int64_t used = dx_hbtp_feed(to, bytes, size < 7 ? size : 7, SECOND);
        if (used <= 0) return;
        dx_hbtp_out_consume(from, (size_t)used);
    }
}

int main(void)
{
    static dx_hbtp_router server_routes, client_routes;
    static uint64_t memory[2][512]; /* 4 KiB each, aligned */
    static uint8_t out_memory[2][DX_HBTP_OUT_SIZE];
    dx_hbtp_out out[2];
    dx_hbtp_session server, client;
    dx_hbtp_session_desc desc;

    memset(&desc, 0, sizeof desc);
    dx_hbtp_router_init(&server_routes);
    dx_hbtp_router_set_method(&server_routes, METHOD_REVERSE, on_reverse, NULL);
    dx_hbtp_router_set_method(&server_routes, METHOD_FETCH, on_fetch, NULL);
    dx_hbtp_router_init(&client_routes);
    dx_hbtp_router_set(&client_routes, DX_HBTP_OP_FILE_CHUNK, on_chunk, NULL);
    for (int i = 0; i < 2; i++) {
        dx_hbtp_out_init(&out[i], out_memory[i], sizeof out_memory[i]);
        desc.memory = memory[i];
        desc.memory_size = sizeof memory[i];
        desc.out = &out[i];
        desc.router = i ? &client_routes : &server_routes;
        desc.on_result = on_result;
        desc.payload_max = 1024;
        if (dx_hbtp_session_init(i ? &client : &server, &desc)) return 1;
    }
    dx_hbtp_request(&client, DX_HBTP_OP_PING, 0, "hello", 5, SECOND, (void *)"ping", NULL);
    dx_hbtp_call(&client, METHOD_REVERSE, "stressed", 8, SECOND, (void *)"reverse", NULL);
    dx_hbtp_call(&client, 99, NULL, 0, SECOND, (void *)"no such method", NULL);
    dx_hbtp_call(&client, METHOD_FETCH, NULL, 0, SECOND, (void *)"fetch", NULL);
    carry(&out[1], &server);
    carry(&out[0], &client);
    return answers == 4 && received_size == sizeof file && !strcmp(received, file) ? 0 : 1;
}
