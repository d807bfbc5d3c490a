/*  An echo server and its client in one loop: accept, connect, send, receive, a timer, half close.

        cc -O2 -o hello_reactor examples/hello/hello_reactor.c
*/
#define DX_REACTOR_IMPLEMENTATION
#include "../../dx_reactor.h"
#include <stdio.h>
#include <string.h>

typedef struct peer {
    dx_op recv_op, send_op, close_op;
    int   fd;
    char  bytes[64];
} peer;

static peer  server, client;
static dx_op accept_op, timer_op;
static char  echoed[64];
static size_t echoed_size;

/* Each of these must have happened at the end; the network decides the order. */
enum { CONNECTED, ACCEPTED, ECHOED, TIMED, SERVER_CLOSED, CAME_BACK, CLIENT_CLOSED, RAN, STEPS };
static const char *const names[STEPS] = {
    "client connected", "server accepted", "server echoed",  "timer came",
    "server closed",    "client got it",   "client closed",  "run ended"};
static int good[STEPS];

static void closed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)flags;
    good[op == &server.close_op ? SERVER_CLOSED : CLIENT_CLOSED] = result == 0;
}

/* The server sends back what it gets, and closes at the end of the data. */
static void server_sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)op, (void)flags;
    good[ECHOED] = result > 0;
    dx_reactor_recv(r, &server.recv_op, server.fd, server.bytes, sizeof server.bytes);
}

static void server_received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)op, (void)flags;
    if (result > 0) dx_reactor_send(r, &server.send_op, server.fd, server.bytes, (uint32_t)result);
    else dx_reactor_close_fd(r, &server.close_op, server.fd);
}

static void accepted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)op, (void)flags;
    good[ACCEPTED] = result >= 0;
    server.fd = result;
    dx_reactor_recv(r, &server.recv_op, server.fd, server.bytes, sizeof server.bytes);
}

static void client_received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    if (result <= 0) { /* the server has closed: it got our end of data */
        good[CAME_BACK] = echoed_size == 5 && memcmp(echoed, "hello", 5) == 0;
        dx_reactor_close_fd(r, &client.close_op, client.fd);
        return;
    }
    memcpy(echoed + echoed_size, client.bytes, (size_t)result);
    echoed_size += (size_t)result;
    if (echoed_size == 5) dx_reactor_timer(r, &timer_op, 1000000); /* end it in a millisecond */
    dx_reactor_recv(r, op, client.fd, client.bytes, (uint32_t)(sizeof echoed - echoed_size));
}

static void timed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    good[TIMED] = result == 0;
    dx_reactor_op_init(op, NULL, NULL);
    dx_reactor_shutdown(r, op, client.fd);
}

static void connected(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    good[CONNECTED] = result == 0;
    dx_reactor_op_init(op, NULL, NULL); /* nobody waits for the result of this send */
    dx_reactor_send(r, op, client.fd, "hello", 5);
    dx_reactor_recv(r, &client.recv_op, client.fd, client.bytes, sizeof client.bytes);
}

int main(void)
{
    static uint64_t memory[16384];
    static dx_reactor r;
    dx_reactor_desc desc;
    dx_reactor_address any, at;
    int listening = -1, failures = 0, i;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;
    dx_reactor_op_init(&accept_op, accepted, NULL);
    dx_reactor_op_init(&server.recv_op, server_received, NULL);
    dx_reactor_op_init(&server.send_op, server_sent, NULL);
    dx_reactor_op_init(&server.close_op, closed, NULL);
    dx_reactor_op_init(&client.recv_op, client_received, NULL);
    dx_reactor_op_init(&client.send_op, connected, NULL);
    dx_reactor_op_init(&client.close_op, closed, NULL);
    dx_reactor_op_init(&timer_op, timed, NULL);
    if (dx_reactor_address_parse(&any, "127.0.0.1:0") != DX_REACTOR_OK ||
        dx_reactor_listen(&r, &any, 0, 0, &listening, &at) != DX_REACTOR_OK ||
        dx_reactor_socket(&r, &at, DX_REACTOR_NODELAY, &client.fd) != DX_REACTOR_OK)
        return 1;
    dx_reactor_accept(&r, &accept_op, listening);
    dx_reactor_connect(&r, &client.send_op, client.fd, &at);
    good[RAN] = dx_reactor_run(&r) == DX_REACTOR_OK; /* until nothing is pending */
    if (dx_reactor_close(&r) != DX_REACTOR_OK) return 1;
    for (i = 0; i < STEPS; i++) {
        printf("%-18s %s\n", names[i], good[i] ? "ok" : "FAILED");
        failures += !good[i];
    }
    return failures != 0;
}
