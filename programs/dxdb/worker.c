/* `dxdb serve`: workers, each with results, HBTP and HTTP on an event loop of its own. They share
   only the configuration: each receives notifications itself, and has its own cache. The kernel
   distributes connections over them (SO_REUSEPORT).

   SIGHUP reads the configuration again. If it is valid, the workers end, and others begin with it on
   the same listening descriptors: connections that are made in between wait there.

   A worker ends in this order, so that no request is lost:
   1. It accepts no more, and waits until the system has done so: it may have accepted another one.
   2. It waits for the first request of the connections that it has, and ends each connection of HTTP
      with its next answer.
   3. It ends streams and subscriptions, tells the links of HBTP, and closes what has been answered. */
#include "commands.h"

#include "health.h"
#include "hbtp.h"
#include "http.h"
#include "tls.h"

#include "../common/backend.h"
#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_S     = 5,   /* for the answers to outstanding requests */
    CLOSE_S     = 1,   /* then for the ends of connections */
    BUFFERS     = 256,
    BUFFER_SIZE = 16384,
    MORE_OPS    = 256, /* operations in addition to those of connections and jobs */
    PUBLISH_MS  = 100
};

typedef struct worker {
    dxdb_results results;
    dxdb_follow  follow;
    dxdb_guard   guard;
    dxdb_hbtp    hbtp;
    dxdb_http    http;
    dxdb_tls     hbtp_tls;
    dxdb_tls     http_tls;
    int          hbtp_fd; /* listening; -1: not served */
    int          http_fd;
    uint32_t     index;
    dx_op        publish_op;
} worker;

static dxdb_config      config;
static worker          *workers;
static uint32_t         worker_count;
static dx_reactor_group group;
static void            *group_memory;
static void            *certificate; /* NULL: no TLS */
static atomic_bool      is_stopping; /* the main thread ends the workers */

/* >>a worker, on its thread ----------------------------------------------------------- */
static void on_publish(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    worker *w = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    dxdb_follow_measure(&w->follow);
    dxdb_metrics_publish(w->index, dxdb_results_measure(&w->results));
    (void)dx_reactor_timer(r, op, (uint64_t)PUBLISH_MS * 1000000);
}

static int begin(dx_reactor_worker *thread)
{
    worker *w = &workers[thread->index];
    dx_reactor *r = &thread->reactor;
    w->index = thread->index;
    int status = dxdb_guard_begin(&w->guard, &config);
    if (!status) status = dxdb_results_begin(&w->results, r, &config, w->index);
    if (!status) status = dxdb_follow_begin(&w->follow, r, &w->results);
    if (!status) /* without an address, it is for WebSocket */
        status = dxdb_hbtp_begin(&w->hbtp, r, &w->follow, &w->guard, certificate ? -1 : w->hbtp_fd);
    if (!status && w->http_fd >= 0)
        status = dxdb_http_begin(&w->http, r, &w->follow, &w->guard, certificate ? -1 : w->http_fd,
                                 dxdb_hbtp_add, &w->hbtp);
    if (!status && certificate && w->hbtp_fd >= 0)
        status = dxdb_tls_begin(&w->hbtp_tls, r, &w->guard, certificate, w->hbtp_fd, dxdb_hbtp_add,
                                &w->hbtp, &w->results.metrics.stuck_tls);
    if (!status && certificate && w->http_fd >= 0)
        status = dxdb_tls_begin(&w->http_tls, r, &w->guard, certificate, w->http_fd, dxdb_http_add,
                                &w->http, &w->results.metrics.stuck_tls);
    w->http.index = w->index;
    dx_reactor_op_init(&w->publish_op, on_publish, w);
    (void)dx_reactor_timer(r, &w->publish_op, (uint64_t)PUBLISH_MS * 1000000);
    return status;
}

/* Until no client is connected over TLS. */
static void end_tls(worker *w, dx_reactor *r)
{
    const uint64_t until_ns = dx_reactor_now_ns(r) + (uint64_t)2 * CLOSE_S * 1000000000;
    dxdb_tls *const both[2] = {&w->hbtp_tls, &w->http_tls};
    for (int i = 0; i < 2; i++)
        if (both[i]->context) dxdb_tls_close(both[i], (uint64_t)CLOSE_S * 1000000000);
    while (dx_reactor_now_ns(r) < until_ns &&
           (both[0]->outer.count || both[0]->inner.count || both[1]->outer.count || both[1]->inner.count))
        if (dx_reactor_run_once(r, 100000000) < 0) break;
}

static void run_until(worker *w, dx_reactor *r, bool closing, uint64_t until_ns)
{
    while (dx_reactor_now_ns(r) < until_ns &&
           (w->hbtp.links.count || (closing ? w->http.peers.count + w->http.ws.inner.count > 0
                                            : dxdb_http_is_busy(&w->http))))
        if (dx_reactor_run_once(r, 100000000) < 0) break;
}

/* Does a connection that was accepted still have to ask something? */
static bool expects(const worker *w)
{
    return (w->hbtp_tls.context && dxdb_tls_expects(&w->hbtp_tls)) ||
           (w->http_tls.context && dxdb_tls_expects(&w->http_tls)) ||
           dxdb_hbtp_expects(&w->hbtp) || (w->http_fd >= 0 && dxdb_http_expects(&w->http));
}

/* Accept no more, and serve the first request of those that were accepted. */
static void end_listening(worker *w, dx_reactor *r, uint64_t until_ns)
{
    if (w->hbtp_tls.context) dxdb_tls_listen_end(&w->hbtp_tls);
    if (w->http_tls.context) dxdb_tls_listen_end(&w->http_tls);
    dxdb_hbtp_listen_end(&w->hbtp);
    if (w->http_fd >= 0) dxdb_http_listen_end(&w->http);
    while (dx_reactor_refresh_now_ns(r) < until_ns && expects(w))
        if (dx_reactor_run_once(r, 10000000) < 0) break;
}

/* Answer outstanding requests, then close the connections to the database. */
static void end(dx_reactor_worker *thread)
{
    worker *w = &workers[thread->index];
    dx_reactor *r = &thread->reactor;
    const uint64_t second_ns = 1000000000;
    const uint64_t until_ns = dx_reactor_refresh_now_ns(r) + DRAIN_S * second_ns;
    if (!atomic_load(&is_stopping)) (void)kill(getpid(), SIGTERM); /* the main thread ends the others */
    (void)dx_reactor_cancel(r, &w->publish_op);
    end_listening(w, r, until_ns);
    if (w->hbtp_tls.context) dxdb_tls_drain(&w->hbtp_tls);
    if (w->http_tls.context) dxdb_tls_drain(&w->http_tls);
    dxdb_hbtp_drain(&w->hbtp, DRAIN_S * second_ns);
    if (w->http_fd >= 0) dxdb_http_drain(&w->http);
    run_until(w, r, false, until_ns);
    if (w->http_fd >= 0) dxdb_http_close(&w->http, CLOSE_S * second_ns);
    run_until(w, r, true, dx_reactor_now_ns(r) + 2 * CLOSE_S * second_ns);
    end_tls(w, r);
    dxdb_follow_end(&w->follow);
    dxdb_results_end(&w->results);
    while (!dxdb_results_is_ended(&w->results) || !dxdb_follow_is_ended(&w->follow))
        if (dx_reactor_run_once(r, 100000000) < 0) break;
}

/* >>all of them -------------------------------------------------------------------------- */
/* Create one listener per worker, and print the address in the form that scripts wait for. The
   first listener takes the port exclusively; then the others share it. */
static int listen_on(const char *protocol, const char *address, size_t field)
{
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    dx_reactor_address at, bound;
    if (!address) return PROG_OK;
    if (dx_reactor_address_parse(&at, address))
        return prog_fail(PROG_USAGE, "%s: '%s' is not a numeric address such as 127.0.0.1:7010",
                         protocol, address);
    for (uint32_t i = 0; i < worker_count; i++) {
        const uint32_t flags = DX_REACTOR_NODELAY | (i ? DX_REACTOR_REUSEPORT : 0);
        int *fd = (int *)(void *)((char *)&workers[i] + field);
        errno = 0;
        int error = dx_reactor_listen(NULL, i ? &bound : &at, flags, 0, fd, i ? NULL : &bound);
        if (!error && !i && worker_count > 1 && os_share_port(*fd) < 0) error = DX_REACTOR_ESYS;
        if (error)
            return prog_fail(PROG_SYSTEM, "%s: cannot listen on %s: %s", protocol, address,
                             errno ? strerror(errno) : dx_reactor_error_name(error));
    }
    dx_reactor_address_format(&bound, text, sizeof text);
    prog_say("%s on %s\n", protocol, text);
    return PROG_OK;
}

static void describe(dx_reactor_group_desc *desc, int backend)
{
    memset(desc, 0, sizeof *desc);
    desc->workers = worker_count;
    desc->fixed = true;
    desc->start = begin;
    desc->stop = end;
    desc->reactor.backend = backend;
    const uint32_t ends = certificate ? 3 : 1; /* descriptors of a connection */
    const uint32_t sockets = config.http && !dxdb_ws_missing(); /* one more of a WebSocket */
    desc->reactor.descriptors_max = (2 * ends + sockets) * config.connections + config.pool + 16;
    desc->reactor.pending_max = 4 * (2 * ends + sockets) * config.connections + 2 * config.waiting_max +
                                8 * config.pool + MORE_OPS;
    desc->reactor.buffer_count = BUFFERS;
    desc->reactor.buffer_size = BUFFER_SIZE;
    desc->memory_size = dx_reactor_group_memory_size(desc);
    desc->memory = group_memory = prog_alloc(desc->memory_size);
}

/* Free what the workers had. The listening descriptors stay open. */
static void free_workers(void)
{
    for (uint32_t i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        dxdb_tls_free(&w->hbtp_tls);
        dxdb_tls_free(&w->http_tls);
        dxdb_http_free(&w->http);
        dxdb_hbtp_free(&w->hbtp);
        dxdb_follow_free(&w->follow);
        dxdb_results_free(&w->results);
        dxdb_guard_free(&w->guard);
    }
    dxdb_metrics_forget();
    free(group_memory);
    group_memory = NULL;
    dxdb_tls_unload(certificate);
    certificate = NULL;
}

static int start_workers(int backend)
{
    dx_reactor_group_desc desc;
    const int status = dxdb_tls_load(&config, &certificate);
    if (status) return status;
    describe(&desc, backend);
    atomic_store(&is_stopping, false);
    dxdb_health_begin(worker_count);
    const int error = dx_reactor_group_start(&group, &desc);
    if (!error) return PROG_OK;
    free_workers();
    return error > 0 ? error /* from begin(), which printed a message */
                     : prog_fail(PROG_SYSTEM, "cannot start the workers: %s",
                                              dx_reactor_error_name(error));
}

static int stop_workers(void)
{
    atomic_store(&is_stopping, true);
    dx_reactor_group_stop(&group);
    const int error = dx_reactor_group_join(&group);
    free_workers();
    return error ? prog_fail(PROG_SYSTEM, "the event loop of a worker failed: %s",
                                          dx_reactor_error_name(error)) : PROG_OK;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Read the configuration, and check whether it can replace the one in use. */
static int read_again(dxdb_config *fresh, const char *path)
{
    dxdb_guard guard;
    void *context;
    int status = dxdb_config_read(fresh, path);
    if (status) return status;
    if (!is_same(fresh->hbtp, config.hbtp) || !is_same(fresh->http, config.http) ||
        fresh->workers != config.workers)
        return prog_fail(PROG_USAGE, "%s: hbtp, http and workers are only read at the start", path);
    status = dxdb_guard_begin(&guard, fresh);
    dxdb_guard_free(&guard);
    if (!status) status = dxdb_tls_load(fresh, &context);
    if (!status) dxdb_tls_unload(context);
    return status;
}

/* SIGHUP. An error in the file leaves everything as it is. */
static int reload(const char *path, int backend)
{
    static dxdb_config fresh, old;
    if (read_again(&fresh, path)) {
        dxdb_config_free(&fresh);
        prog_warn("%s was not loaded; the old configuration stays in use", path);
        return PROG_OK;
    }
    int status = stop_workers();
    old = config;
    config = fresh;
    if (!status && start_workers(backend)) {
        prog_warn("%s cannot be used; the old configuration is in use again", path);
        fresh = old;
        old = config;
        config = fresh;
        status = start_workers(backend);
    } else if (!status) {
        prog_say("loaded %s\n", path);
        fflush(stdout);
    }
    dxdb_config_free(&old);
    return status;
}

static int run(const dxdb_options *o)
{
    int backend;
    int status = prog_backend(o->backend, &backend);
    if (status) return status;
    os_end_prepare();
    worker_count = config.workers ? config.workers : dx_reactor_cpu_count(NULL);
    if (worker_count > DXDB_WORKERS_MAX) worker_count = DXDB_WORKERS_MAX;
    workers = prog_alloc(worker_count * sizeof *workers);
    memset(workers, 0, worker_count * sizeof *workers);
    for (uint32_t i = 0; i < worker_count; i++) workers[i].hbtp_fd = workers[i].http_fd = -1;
    status = listen_on("hbtp", config.hbtp, offsetof(worker, hbtp_fd));
    if (!status) status = listen_on("http", config.http, offsetof(worker, http_fd));
    if (!status) status = dxdb_patcher_begin();
    if (!status) status = start_workers(backend);
    if (status) return status;
    prog_say("%u worker%s\n", (unsigned)worker_count, worker_count == 1 ? "" : "s");
    fflush(stdout);
    while (!status && os_end_wait() == OS_HANGUP) status = reload(o->config, backend);
    if (!status) status = stop_workers();
    dxdb_patcher_end();
    return status;
}

int dxdb_serve(const dxdb_options *o)
{
    int status = dxdb_config_read(&config, o->config);
    if (!status) status = run(o);
    dxdb_config_free(&config);
    return status;
}
