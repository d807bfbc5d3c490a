/* `dxdb serve`: results, HBTP and HTTP on one event loop. */
#include "commands.h"

#include "hbtp.h"
#include "http.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRAIN_S      = 5,
    BUFFERS      = 256,
    BUFFER_SIZE  = 16384,
    ANSWERS_MAX  = 256 /* operations beside connections, jobs and timers */
};

typedef struct worker {
    dx_reactor   reactor;
    dxdb_config  config;
    dxdb_results results;
    dxdb_hbtp    hbtp;
    dxdb_http    http;
    void        *memory;
} worker;

static worker one;
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
    dx_reactor_stop(&one.reactor);
}

static void watch_signals(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
}

static int backend_of(const char *name)
{
    if (!name || !strcmp(name, "auto")) return DX_REACTOR_BACKEND_AUTO;
    if (!strcmp(name, "io_uring")) return DX_REACTOR_BACKEND_IO_URING;
    if (!strcmp(name, "epoll")) return DX_REACTOR_BACKEND_EPOLL;
    return -1;
}

static int open_reactor(worker *w, const char *backend)
{
    const dxdb_config *config = &w->config;
    dx_reactor_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.backend = backend_of(backend);
    if (desc.backend < 0)
        return prog_fail(PROG_USAGE, "unknown backend: %s (auto, io_uring, epoll)", backend);
    desc.descriptors_max = 2 * config->connections + config->pool + 16;
    desc.pending_max = 8 * config->connections + 2 * config->waiting_max + 8 * config->pool +
                       ANSWERS_MAX;
    desc.buffer_count = BUFFERS;
    desc.buffer_size = BUFFER_SIZE;
    desc.memory_size = dx_reactor_memory_size(&desc);
    w->memory = prog_alloc(desc.memory_size);
    desc.memory = w->memory;
    const int error = dx_reactor_open(&w->reactor, &desc);
    if (!error) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "the event loop: %s %s", dx_reactor_error_name(error),
                     dx_reactor_refusal(&w->reactor, desc.backend));
}

/* Listen, and say where, in the form that scripts wait for. */
static int listen_on(worker *w, const char *protocol, const char *address, int *fd)
{
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    dx_reactor_address at, bound;
    if (dx_reactor_address_parse(&at, address))
        return prog_fail(PROG_USAGE, "%s: %s: an address in numbers, such as 127.0.0.1:7010",
                         protocol, address);
    const int error = dx_reactor_listen(&w->reactor, &at, DX_REACTOR_NODELAY, 0, fd, &bound);
    if (error)
        return prog_fail(PROG_SYSTEM, "%s: %s: %s", protocol, address,
                         dx_reactor_error_name(error));
    dx_reactor_address_format(&bound, text, sizeof text);
    prog_say("%s on %s\n", protocol, text);
    return PROG_OK;
}

static int begin(worker *w)
{
    int hbtp = -1, http = -1, status = PROG_OK;
    if (w->config.hbtp) status = listen_on(w, "hbtp", w->config.hbtp, &hbtp);
    if (!status && w->config.http) status = listen_on(w, "http", w->config.http, &http);
    if (!status) status = dxdb_results_begin(&w->results, &w->reactor, &w->config);
    if (!status && hbtp >= 0) status = dxdb_hbtp_begin(&w->hbtp, &w->reactor, &w->results, hbtp);
    if (!status && http >= 0) status = dxdb_http_begin(&w->http, &w->reactor, &w->results, http);
    fflush(stdout);
    return status;
}

/* Answer what is under way, and close the connections to the database in order. */
static void end(worker *w)
{
    const uint64_t within_ns = (uint64_t)DRAIN_S * 1000000000;
    const uint64_t until_ns = dx_reactor_refresh_now_ns(&w->reactor) + 2 * within_ns;
    if (w->config.hbtp) dxdb_hbtp_drain(&w->hbtp, within_ns);
    if (w->config.http) dxdb_http_drain(&w->http, within_ns);
    while ((w->hbtp.links.count || w->http.peers.count) &&
           dx_reactor_now_ns(&w->reactor) < until_ns)
        if (dx_reactor_run_once(&w->reactor, 100000000) < 0) break;
    dxdb_results_end(&w->results);
    while (!dxdb_results_is_ended(&w->results))
        if (dx_reactor_run_once(&w->reactor, 100000000) < 0) break;
}

int dxdb_serve(const dxdb_options *o)
{
    worker *w = &one;
    int error = 0;
    int status = dxdb_config_read(&w->config, o->config);
    if (!status) status = open_reactor(w, o->backend);
    if (!status) {
        status = begin(w);
        watch_signals();
        while (!status && !stopped && error >= 0)
            error = dx_reactor_run_once(&w->reactor, DX_REACTOR_FOREVER);
        if (error < 0) status = prog_fail(PROG_SYSTEM, "%s", dx_reactor_error_name(error));
        if (!status) end(w);
        (void)dx_reactor_close(&w->reactor);
    }
    dxdb_config_free(&w->config);
    return status;
}
