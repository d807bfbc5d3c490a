/* The event loop and its connections. See loop.h. */
#include "loop.h"

#include "../../common/os.h"
#include "address.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_SIZE  = 65536,
    BUFFERS      = 64,     /* for input, of all connections */
    TLS_BUFFER_SIZE = 32768,
    BLOCKS       = 4,      /* for output, of each connection */
    OUT_SIZE     = 4096,   /* of a connection's small frames */
    FRAMES_MAX   = 32,     /* handled in a row on one connection */
    TURN_NS      = 100000000, /* a signal that arrives before the wait delays its handling by this */
    LISTEN_TRIES = 20,
    LISTEN_PAUSE_NS = 100000000,
    CONNECT_S    = 10,
    LINGER_S     = 2,
    TLS_PENDING  = 10     /* operations of the event loop for each connection that is carried */
};
#define SECOND ((uint64_t)1000000000)

static wan_ender signals;              /* that of the process */
static dx_reactor *volatile woken;

static void on_signal(int number)
{
    (void)number;
    signals.count = signals.count ? 2 : 1;
    if (woken) dx_reactor_wake(woken);
}

static void watch_signals(dx_reactor *r)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    woken = r;
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
}

bool wan_signals_end(void) { return signals.count != 0; }

bool wan_loop_is_ended(const wan_loop *l) { return l->ender->count != 0; }

int wan_loop_ends(const wan_loop *l)
{
    const wan_ender *e = l->ender;
    const int count = e->count;
    if (count == 1 && e->drain_ns && e->since_ns && prog_now_ns() - e->since_ns >= (int64_t)e->drain_ns)
        return 2;
    return count;
}

/* Complete the description of the links. */
static void describe(wan_loop *l, dx_link_desc *d, uint64_t timeout_ns)
{
    if (!d->block_size) d->block_size = OUT_SIZE;
    d->block_count = BLOCKS * d->links_max + 16;
    d->high_water = 2 * d->block_size;
    d->out_size = OUT_SIZE;
    if (!d->connect_ns) d->connect_ns = CONNECT_S * SECOND;
    d->linger_ns = LINGER_S * SECOND;
    d->session.router = &l->router;
    d->session.payload_max = WAN_PAYLOAD_MAX;
    d->session.outstanding_max = 4;
    d->session.pending_max = 1;
    d->session.frames_max = FRAMES_MAX;
    if (!d->session.keepalive_ns || d->session.keepalive_ns > timeout_ns / 4)
        d->session.keepalive_ns = timeout_ns / 4;
    d->session.frame_ns = timeout_ns;
}

static wan_loop *loop_of(const dx_link *links)
{
    return (wan_loop *)(uintptr_t)((const char *)links - offsetof(wan_loop, links));
}

static int connect_tls(dx_link *links, const dx_reactor_address *address, dx_link_id *id)
{
    return wan_tls_connect(loop_of(links)->tls, address, id);
}

int wan_loop_open(wan_loop *l, dx_link_desc *desc, const wan_options *o, bool serves)
{
    const bool has_tls = wan_tls_is_wanted(o);
    dx_reactor_desc r = {0};
    assert(desc->links_max > 0 && desc->block_size <= WAN_PAYLOAD_MAX + 4096);
    memset(l, 0, sizeof *l);
    l->ender = o->ender ? o->ender : &signals;
    r.descriptors_max = (has_tls ? 4 : 1) * desc->links_max + 128;
    r.pending_max = (has_tls ? 4 + TLS_PENDING : 4) * desc->links_max + 512;
    r.buffer_count = has_tls ? WAN_TLS_POOL_SIZE / TLS_BUFFER_SIZE : BUFFERS;
    r.buffer_size = has_tls ? TLS_BUFFER_SIZE : BUFFER_SIZE;
    r.memory_size = dx_reactor_memory_size(&r);
    l->reactor_memory = prog_alloc(r.memory_size);
    r.memory = l->reactor_memory;
    int error = dx_reactor_open(&l->reactor, &r);
    if (error) {
        free(l->reactor_memory);
        l->reactor_memory = NULL;
        return prog_fail(PROG_SYSTEM, "cannot open the event loop: %s",
                         dx_reactor_error_name(error));
    }
    if (!o->ender) watch_signals(&l->reactor);
    dx_hbtp_router_init(&l->router);
    describe(l, desc, o->timeout_ns);
    if (has_tls) desc->connect = connect_tls;
    desc->memory_size = dx_link_memory_size(desc);
    l->links_memory = prog_alloc(desc->memory_size);
    desc->memory = l->links_memory;
    error = dx_link_open(&l->links, &l->reactor, desc);
    if (error) return prog_fail(PROG_SYSTEM, "cannot open the connections: %s", dx_link_error_name(error));
    return has_tls ? wan_tls_open(&l->tls, &l->links, desc->links_max, o, serves) : PROG_OK;
}

/* A receiver that was killed keeps its port for a moment: the system closes its connections later. */
static int listen_on(dx_reactor *r, const char *text, int *fd, char bound_text[DX_REACTOR_ADDRESS_TEXT_SIZE])
{
    dx_reactor_address at, bound;
    int status = wan_address_find(&at, text);
    if (status) return status;
    for (int tries = 0; dx_reactor_listen(r, &at, 0, 0, fd, &bound); tries++) {
        if (dx_reactor_sys_errno(r) == EADDRINUSE && tries < LISTEN_TRIES && !wan_signals_end()) {
            os_sleep_ns(LISTEN_PAUSE_NS);
            continue;
        }
        return prog_fail(PROG_SYSTEM, "cannot listen on %s: %s", text,
                         os_error_text(dx_reactor_sys_errno(r)));
    }
    if (dx_reactor_address_format(&bound, bound_text, DX_REACTOR_ADDRESS_TEXT_SIZE)) bound_text[0] = 0;
    return PROG_OK;
}

int wan_loop_accept(wan_loop *l, int fd)
{
    if (l->tls) return wan_tls_listen(l->tls, fd);
    const int error = dx_link_listen(&l->links, fd);
    if (!error) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "cannot accept connections: %s", dx_link_error_name(error));
}

int wan_loop_listen(wan_loop *l, const char *text, int *fd)
{
    char bound[DX_REACTOR_ADDRESS_TEXT_SIZE];
    int status = listen_on(&l->reactor, text, fd, bound);
    if (!status) status = wan_loop_accept(l, *fd);
    if (status) return status;
    prog_say("listening on %s\n", bound);
    fflush(stdout);
    return PROG_OK;
}

int wan_listen(const char *address, int *fd, char text[DX_REACTOR_ADDRESS_TEXT_SIZE])
{
    dx_reactor_desc desc = {.descriptors_max = 4};
    dx_reactor r;
    desc.memory_size = dx_reactor_memory_size(&desc);
    void *memory = prog_alloc(desc.memory_size);
    desc.memory = memory;
    int status = PROG_OK;
    const int error = dx_reactor_open(&r, &desc);
    if (error)
        status = prog_fail(PROG_SYSTEM, "cannot open an event loop: %s", dx_reactor_error_name(error));
    if (!status) {
        status = listen_on(&r, address, fd, text);
        (void)dx_reactor_close(&r);
    }
    free(memory);
    return status;
}

int wan_loop_turn(wan_loop *l, uint64_t until_ns)
{
    const uint64_t now = (uint64_t)prog_now_ns();
    uint64_t wait = until_ns > now ? until_ns - now : 0;
    if (wait > TURN_NS) wait = TURN_NS;
    const int done = dx_reactor_run_once(&l->reactor, (int64_t)wait);
    if (done >= 0) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "the event loop failed: %s", dx_reactor_error_name(done));
}

int wan_loop_fd(const dx_link *links, dx_link_id id)
{
    const wan_loop *l = loop_of(links);
    return l->tls ? wan_tls_fd(l->tls, id) : dx_link_fd(links, id);
}

const char *wan_loop_reason(const wan_loop *l, int32_t reason)
{
    bool final;
    const char *fault = l->tls ? wan_tls_fault(l->tls, &final) : "";
    if (*fault) return fault;
    return reason < 0 ? os_error_text(-reason) : "the receiver does not answer";
}

const char *wan_loop_hopeless(const wan_loop *l)
{
    bool final = false;
    const char *fault = l->tls ? wan_tls_fault(l->tls, &final) : NULL;
    return final ? fault : NULL;
}

void wan_loop_say_unconnected(const wan_loop *l, const char *address, int32_t reason, int32_t *told,
                              uint64_t left_ns)
{
    if (reason >= 0 || reason == *told) return;
    *told = reason;
    prog_warn("%s: %s; trying again for %llu s", address, wan_loop_reason(l, reason),
              (unsigned long long)((left_ns + SECOND - 1) / SECOND));
}

void wan_loop_drain(wan_loop *l)
{
    const uint64_t until = (uint64_t)prog_now_ns() + SECOND;
    dx_link_drain(&l->links, SECOND / 2);
    while ((l->links.count || (l->tls && wan_tls_count(l->tls))) && (uint64_t)prog_now_ns() < until &&
           !wan_loop_turn(l, until)) {}
}

void wan_loop_leave(wan_loop *l)
{
    enum { TURNS = 3 }; /* what is queued is given to the kernel */
    dx_link_drain(&l->links, 0);
    for (int i = 0; i < TURNS && l->links.count; i++)
        if (wan_loop_turn(l, (uint64_t)prog_now_ns())) return;
}

void wan_loop_close(wan_loop *l)
{
    if (l->ender == &signals) woken = NULL;
    if (l->tls) wan_tls_end(l->tls);
    if (l->reactor_memory) (void)dx_reactor_close(&l->reactor);
    wan_tls_free(l->tls);
    free(l->links_memory);
    free(l->reactor_memory);
    memset(l, 0, sizeof *l);
}
