/* A thousand connections of dx_link.h through a proxy that resets, stalls, dribbles, half-closes and drops them, while servers get
   SIGTERM in mid-work and others take over. Whatever happens:

       every request ends exactly once: with its answer, or with an error;
       an answered one was carried out once, a refused one (503: the server drains) not at all;
       the bytes of a stream arrive once and in order, and all of them if it ends well;
       every draining server ends by itself, and in time;
       the processes' memory does not grow.

   usage: chaos [SECONDS [CONNECTIONS [SEED]]] */
#define _GNU_SOURCE /* accept4 */
#define DX_IMPLEMENTATION
#include "../../layers/dx_link.h"
#include "../dx_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
enum { ECHO = 1, LATER = 2, STREAM = 1, NUMBERS = 1 << 23, ASKS = 2, WINDOW = 8192, SERVERS_MAX = 16, SLOWS = 8192,
       TICK_MS = 5, CALL_MS = 2000, STREAM_MAX = 60000, DRAIN_MS = 8000, PIPE = 8192 };

typedef struct shared { /* by all processes */
    uint8_t  carried_out[NUMBERS]; /* how often each request was */
    uint32_t settled_kb[SERVERS_MAX], last_kb[SERVERS_MAX], drained[SERVERS_MAX];
    uint32_t faults[6];
} shared;

static shared *all;
static uint64_t seed = 1;
static uint32_t connections = 1000;
static volatile sig_atomic_t ends;

static uint32_t below(uint32_t n) { return (uint32_t)(dx_test_random(&seed) % n); }
static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 31 + (i >> 8)); }
static void on_signal(int number) { ends = number; }

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint32_t resident_kb(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (uint32_t)(resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

static void fail(const char *what, long a, long b)
{
    printf("FAIL chaos: %s (%ld, %ld; seed as given)\nchaos: 0 passed, 1 failed, 0 skipped\n", what, a, b);
    fflush(stdout);
    kill(0, SIGKILL);
}
#define CHECK(c, a, b) ((c) ? (void)0 : fail(#c, (long)(a), (long)(b)))

/* Touch all of it at the start, so that later growth is visible. */
static void *memory_of(size_t size)
{
    void *memory = malloc(size);
    if (!memory) fail("memory", (long)size, 0);
    memset(memory, 0, size);
    return memory;
}

static dx_reactor reactor;
static dx_link links;
static dx_hbtp_router router;
static dx_hbtp_hello hello;
static dx_op tick;

static void open_links(dx_link_desc *d)
{
    dx_reactor_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.descriptors_max = connections + 64;
    desc.pending_max = 4 * connections + SLOWS + 64;
    desc.buffer_count = 256;
    desc.memory_size = dx_reactor_memory_size(&desc);
    desc.memory = memory_of(desc.memory_size);
    CHECK(!dx_reactor_open(&reactor, &desc), errno, 0);
    d->links_max = connections + 32;
    d->block_count = 4096;
    d->block_size = 16384;
    d->session.router = &router;
    d->session.streams_max = 8;
    d->session.keepalive_ns = 700 * MS;
    d->session.frame_ns = 4000 * MS;
    d->linger_ns = 1000 * MS;
    d->hello_ns = 3000 * MS;
    d->memory_size = dx_link_memory_size(d);
    d->memory = memory_of(d->memory_size);
    CHECK(!dx_link_open(&links, &reactor, d), d->memory_size, 0);
}

/* >>server ------------------------------------------------------------- */
typedef struct slow {
    dx_op      op;
    dx_link_id id;
    uint16_t   sequence;
    bool       used;
    uint8_t    bytes[8];
} slow;

typedef struct echo { /* a stream whose bytes are echoed; in use if `stream` is nonzero */
    dx_hbtp_session *session;
    uint32_t stream, size;
    bool     finished;
    uint8_t  bytes[WINDOW];
} echo;

static slow *slows;
static echo *echoes;
static uint32_t slow_next;
static int number_of_server;

static void carry_out(const uint8_t *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, 4);
    if (number < NUMBERS && all->carried_out[number] < 255) all->carried_out[number]++;
}

static int on_echo(const dx_hbtp_context *c)
{
    const int error = dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
    if (!error && c->payload_size >= 8) carry_out(c->payload);
    return error;
}

static void on_slow_time(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    slow *it = (slow *)(uintptr_t)op->user_data;
    dx_hbtp_session *s = dx_link_session(&links, it->id);
    (void)flags;
    if (result != -ECANCELED && s && dx_hbtp_reply(s, it->sequence, it->bytes, 8) == DX_HBTP_ENOSPACE) {
        (void)dx_reactor_timer(r, &it->op, 10 * MS); /* later: it is owed */
        return;
    }
    it->used = false;
}

static int on_later(const dx_hbtp_context *c)
{
    for (unsigned tries = 0; tries < SLOWS; tries++) {
        slow *it = &slows[slow_next++ % SLOWS];
        if (it->used) continue;
        it->used = true;
        it->id = dx_link_id_of(c->session);
        it->sequence = c->frame->sequence;
        memcpy(it->bytes, c->payload, 8);
        carry_out(it->bytes);
        dx_reactor_op_init(&it->op, on_slow_time, it);
        (void)dx_reactor_timer(&reactor, &it->op, (1 + below(200)) * MS);
        return DX_HBTP_LATER;
    }
    return DX_HBTP_STATUS_TOO_MANY;
}

static void pump_echo(echo *it)
{
    const uint32_t id = it->stream;
    while (it->stream == id && it->size) {
        const int64_t n = dx_hbtp_send(it->session, id, it->bytes, it->size);
        if (n <= 0) return;
        it->size -= (uint32_t)n;
        memmove(it->bytes, it->bytes + n, it->size);
        (void)dx_hbtp_grant(it->session, id, (uint32_t)n);
    }
    if (it->stream == id && it->finished) (void)dx_hbtp_finish(it->session, id, 0, NULL);
}

static int on_echo_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    echo *it = (echo *)e->user;
    if (e->kind == DX_HBTP_STREAM_OPENED) {
        for (it = echoes; it->stream; it++)
            if (it == echoes + 8 * connections - 1) return DX_HBTP_STATUS_TOO_MANY;
        memset(it, 0, offsetof(echo, bytes));
        it->session = s;
        it->stream = e->stream;
        e->user = it;
        return dx_hbtp_grant(s, e->stream, WINDOW);
    }
    if (!it) return 0;
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        if (e->size > WINDOW - it->size) return DX_HBTP_STATUS_INTERNAL;
        memcpy(it->bytes + it->size, e->data, e->size);
        it->size += (uint32_t)e->size;
    }
    it->finished |= e->kind == DX_HBTP_STREAM_FINISHED;
    if (e->kind == DX_HBTP_STREAM_ENDED) it->stream = 0;
    else pump_echo(it);
    return 0;
}

static void on_server_writable(dx_link *l, dx_link_id id)
{
    const dx_hbtp_session *s = dx_link_session(l, id);
    for (uint32_t i = 0; i < 8 * connections; i++)
        if (echoes[i].stream && echoes[i].session == s) pump_echo(&echoes[i]);
}

static void on_server_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    static uint32_t ticks, was_told;
    (void)flags;
    if (result == -ECANCELED) return;
    if (++ticks == 600) all->settled_kb[number_of_server] = resident_kb();
    if (ticks > 600) all->last_kb[number_of_server] = resident_kb();
    if (ends && !was_told++) dx_link_drain(&links, DRAIN_MS / 2 * MS);
    if (was_told && !links.count) dx_reactor_stop(r);
    else (void)dx_reactor_timer(r, op, TICK_MS * MS);
}

static void serve(int listening, int number)
{
    dx_link_desc d;
    number_of_server = number;
    signal(SIGTERM, on_signal);
    slows = (slow *)memory_of(SLOWS * sizeof *slows);
    echoes = (echo *)memory_of(8 * connections * sizeof *echoes);
    dx_hbtp_router_init(&router);
    hello.credit = WINDOW / 2;
    dx_hbtp_router_set(&router, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &hello);
    dx_hbtp_router_set_method(&router, ECHO, on_echo, NULL);
    dx_hbtp_router_set_method(&router, LATER, on_later, NULL);
    memset(&d, 0, sizeof d);
    d.session.on_stream = on_echo_stream;
    d.writable = on_server_writable;
    open_links(&d);
    CHECK(!dx_link_listen(&links, listening), 0, 0);
    dx_reactor_op_init(&tick, on_server_tick, NULL);
    (void)dx_reactor_timer(&reactor, &tick, TICK_MS * MS);
    (void)dx_reactor_run(&reactor);
    (void)dx_reactor_close(&reactor);
    all->drained[number] = 1;
    _exit(0);
}

/* >>proxy -------------------------------------------------------------- */
typedef struct pair {
    int      fd[2];       /* of the client, of the server; -1: the pair is unused */
    uint64_t until_ms;    /* stalls, dribbles or is dropped until then */
    int      how;         /* 0: normal; 1: nothing moves; 2: dribbles; 3: dropped, then reset */
    bool     ended[2];    /* nothing more comes from this side */
    bool     told[2];     /* and the other side was told */
    size_t   size[2];     /* waiting, from side i to the other */
    uint8_t  bytes[2][PIPE];
} pair;

static void drop(pair *p, bool reset)
{
    const struct linger now = {1, 0};
    for (int i = 0; i < 2; i++) {
        if (reset) setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(p->fd[i]);
    }
    p->fd[0] = p->fd[1] = -1;
}

static void disturb(pair *p, uint64_t now)
{
    const uint32_t what = below(5);
    if (p->fd[0] < 0 || p->how) return;
    all->faults[what]++;
    p->how = (int)what;
    p->until_ms = now + 20 + below(what == 3 ? 4000 : 600);
    if (what == 0) drop(p, true);
    if (what == 4) {
        p->how = 0;
        (void)shutdown(p->fd[below(2)], SHUT_WR);
    }
}

/* Forward one direction. False: the pair is closed. */
static bool forward(pair *p, int from)
{
    const size_t most = p->how == 2 ? 1 + below(7) : PIPE;
    ssize_t n;
    if (!p->ended[from] && p->size[from] < most) {
        n = recv(p->fd[from], p->bytes[from] + p->size[from], most - p->size[from], MSG_DONTWAIT);
        if (n == 0) p->ended[from] = true;
        if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (n > 0) p->size[from] += (size_t)n;
    }
    if (p->size[from]) {
        n = send(p->fd[!from], p->bytes[from], p->size[from], MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (n > 0) memmove(p->bytes[from], p->bytes[from] + n, p->size[from] -= (size_t)n);
    }
    if (p->ended[from] && !p->size[from] && !p->told[!from]) {
        p->told[!from] = true;
        (void)shutdown(p->fd[!from], SHUT_WR);
    }
    return true;
}

static void move_pair(pair *p, uint64_t now)
{
    if (p->how && now >= p->until_ms) {
        if (p->how == 3) {
            drop(p, true);
            return;
        }
        p->how = 0;
    }
    if (p->how == 1 || p->how == 3) return;
    if (!forward(p, 0) || !forward(p, 1)) drop(p, true);
    else if (p->told[0] && p->told[1]) drop(p, false);
}

static void take_in(pair *pairs, int listening, const struct sockaddr_in *server)
{
    const int on = 1;
    uint32_t i = 0;
    int fd;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        const int other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        while (i < 2 * connections && pairs[i].fd[0] >= 0) i++;
        if (i == 2 * connections || other < 0 ||
            (connect(other, (const struct sockaddr *)server, sizeof *server) && errno != EINPROGRESS)) {
            close(fd);
            if (other >= 0) close(other);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        memset(&pairs[i], 0, offsetof(pair, bytes));
        pairs[i].fd[0] = fd;
        pairs[i].fd[1] = other;
    }
}

static void proxy(int listening, const struct sockaddr_in *server)
{
    pair *pairs = (pair *)memory_of(2 * connections * sizeof *pairs);
    struct pollfd one = {listening, POLLIN, 0};
    uint64_t calm_ms = 0;
    seed += 77;
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    for (uint32_t i = 0; i < 2 * connections; i++) pairs[i].fd[0] = -1;
    for (;;) {
        const uint64_t now = now_ms();
        (void)poll(&one, 1, 1);
        take_in(pairs, listening, server);
        if (ends == SIGTERM) calm_ms = now; /* no more faults: let everything finish */
        for (uint32_t i = 0; i < 2 * connections; i++)
            if (pairs[i].fd[0] >= 0) move_pair(&pairs[i], now);
        for (uint32_t i = connections / 200 + 1; i && !calm_ms; i--) {
            pair *p = &pairs[below(2 * connections)];
            if (!below(4)) disturb(p, now);
        }
    }
}

/* >>client ------------------------------------------------------------- */
typedef struct ask {
    bool     busy;
    uint32_t number;
} ask;

typedef struct worker {
    dx_link_dialer   dialer;
    ask              asks[ASKS];
    dx_hbtp_session *session; /* of its stream, which is `stream` if that is nonzero */
    uint32_t         stream, total, sent, came;
    bool             finished;
} worker;

static worker *workers;
static uint32_t next_number;
static uint64_t good, refused, errors, streams_good, streams_lost, stream_bytes;
static uint64_t stop_ms, give_up_ms;

static void on_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    ask *it = (ask *)r->user;
    const uint8_t times = all->carried_out[it->number];
    uint32_t number = UINT32_MAX;
    (void)s;
    CHECK(it->busy, it->number, r->error);
    it->busy = false;
    if (!r->error) {
        CHECK(r->payload_size == 8, r->payload_size, 0);
        memcpy(&number, r->payload, 4);
        CHECK(number == it->number && times == 1, number, times);
        good++;
    } else if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_UNAVAILABLE) {
        CHECK(times == 0, it->number, times);
        refused++;
    } else {
        CHECK(r->error == DX_HBTP_ECANCELED || r->error == DX_HBTP_ETIMEDOUT ||
              (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_TIMEOUT), r->error, r->status);
        errors++;
    }
}

static void pump_stream(worker *w)
{
    uint8_t bytes[2048];
    const uint32_t id = w->stream;
    int64_t n = 1;
    while (w->stream == id && w->sent < w->total && n > 0) {
        const uint32_t left = w->total - w->sent, size = left < sizeof bytes ? left : (uint32_t)sizeof bytes;
        for (uint32_t i = 0; i < size; i++) bytes[i] = pattern(w->sent + i);
        n = dx_hbtp_send(w->session, id, bytes, size);
        if (n > 0) w->sent += (uint32_t)n;
    }
    if (w->stream == id && w->sent == w->total && !w->finished) w->finished = !dx_hbtp_finish(w->session, id, 0, NULL);
}

static int on_stream(dx_hbtp_session *s, dx_hbtp_stream_event *e)
{
    worker *w = (worker *)e->user;
    CHECK(w && w->session == s && w->stream == e->stream, e->kind, e->error);
    if (e->kind == DX_HBTP_STREAM_CHUNK && e->size) {
        for (size_t i = 0; i < e->size; i++, w->came++) CHECK(e->data[i] == pattern(w->came), w->came, e->data[i]);
        (void)dx_hbtp_grant(s, e->stream, (uint32_t)e->size);
        stream_bytes += e->size;
    }
    if (e->kind == DX_HBTP_STREAM_ENDED) {
        CHECK(e->error || (w->came == w->total && w->sent == w->total), w->came, w->total);
        if (e->error) streams_lost++;
        else streams_good++;
        w->stream = 0;
    } else {
        pump_stream(w);
    }
    return 0;
}

static void work(worker *w)
{
    dx_hbtp_session *s = dx_link_session(&links, w->dialer.id);
    if (w->stream) pump_stream(w); /* on its own link, which its peer may drain */
    for (unsigned i = 0; i < ASKS && s && now_ms() < stop_ms; i++) {
        ask *it = &w->asks[i];
        uint8_t bytes[8] = {0};
        if (it->busy || below(3) || next_number >= NUMBERS) continue;
        memcpy(bytes, &next_number, 4);
        it->busy = true;
        it->number = next_number;
        if (dx_hbtp_call(s, below(2) ? ECHO : LATER, bytes, 8, dx_reactor_now_ns(&reactor) + CALL_MS * MS, it, NULL)) it->busy = false;
        else next_number++;
    }
    if (!w->stream && s && !below(4) && now_ms() < stop_ms) {
        w->session = s;
        w->total = below(STREAM_MAX);
        w->sent = w->came = 0;
        w->finished = false;
        (void)dx_hbtp_open(s, STREAM, NULL, 0, WINDOW, w, &w->stream);
    }
}

static void on_client_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    static uint32_t turn;
    uint32_t busy = 0;
    (void)flags;
    if (result == -ECANCELED) return;
    for (uint32_t i = turn++ % 4; i < connections; i += 4) work(&workers[i]);
    for (uint32_t i = 0; i < connections; i++) busy += workers[i].stream || workers[i].asks[0].busy || workers[i].asks[1].busy;
    if (now_ms() >= stop_ms && !busy) dx_reactor_stop(r);
    CHECK(now_ms() < give_up_ms, busy, links.count); /* something is neither answered nor lost */
    (void)dx_reactor_timer(r, op, TICK_MS * MS);
}

/* >>main --------------------------------------------------------------- */
static int listen_anywhere(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)at, sizeof *at) && !listen(fd, 4096), errno, 0);
    (void)getsockname(fd, (struct sockaddr *)at, &size);
    return fd;
}

/* A child process that ends with its parent. */
static pid_t fork_bound(void)
{
    const pid_t parent = getpid(), pid = fork();
    if (!pid) (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!pid && getppid() != parent) _exit(1);
    return pid;
}

static pid_t fork_server(int listening, int number)
{
    const pid_t pid = fork_bound();
    seed += 1000;
    if (!pid) serve(listening, number);
    return pid;
}

/* Replace servers: the next one starts before the old one is told to end. */
static void replace_servers(int listening, uint64_t every_ms, uint64_t until_ms)
{
    pid_t pids[SERVERS_MAX];
    int count = 1, status;
    signal(SIGTERM, on_signal);
    pids[0] = fork_server(listening, 0);
    while (!ends) {
        uint64_t next = now_ms() + every_ms;
        while (!ends && now_ms() < next) usleep(20000);
        if (ends || now_ms() >= until_ms || count == SERVERS_MAX) continue;
        pids[count] = fork_server(listening, count);
        count++;
        usleep(200000);
        kill(pids[count - 2], SIGTERM);
    }
    kill(pids[count - 1], SIGTERM);
    for (int i = 0; i < count; i++) (void)waitpid(pids[i], &status, 0);
    _exit(count);
}

int main(int argc, char **argv)
{
    const uint64_t seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 30;
    struct sockaddr_in server, front;
    struct rlimit limit;
    dx_reactor_address at;
    dx_link_desc d;
    char text[32];
    int listening, entry, status = 0;
    pid_t proxy_pid, servers_pid;
    uint32_t before_kb, after_kb;
    if (argc > 2) connections = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3) seed = strtoul(argv[3], NULL, 10);
    (void)setpgid(0, 0);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 4 * connections + 100) {
        puts("skip chaos: too few descriptors\nchaos: 0 passed, 0 failed, 1 skipped");
        return 0;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    all = (shared *)mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 1;
    memset(all, 0, sizeof *all);
    listening = listen_anywhere(&server);
    entry = listen_anywhere(&front);
    stop_ms = now_ms() + seconds * 1000;
    give_up_ms = stop_ms + 30000;
    servers_pid = fork_bound();
    if (!servers_pid) replace_servers(listening, seconds * 1000 / 4, stop_ms);
    close(listening);
    proxy_pid = fork_bound();
    if (!proxy_pid) proxy(entry, &server);
    close(entry);
    workers = (worker *)memory_of(connections * sizeof *workers);
    memset(&d, 0, sizeof d);
    dx_hbtp_router_init(&router);
    hello.credit = WINDOW;
    d.hello = &hello;
    d.session.on_result = on_result;
    d.session.on_stream = on_stream;
    open_links(&d);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)ntohs(front.sin_port));
    CHECK(!dx_reactor_address_parse(&at, text), 0, 0);
    for (uint32_t i = 0; i < connections; i++) CHECK(!dx_link_dial(&links, &workers[i].dialer, &at, 1000 + i), i, 0);
    dx_reactor_op_init(&tick, on_client_tick, NULL);
    (void)dx_reactor_timer(&reactor, &tick, TICK_MS * MS);
    before_kb = resident_kb();
    (void)dx_reactor_run(&reactor);
    after_kb = resident_kb();
    for (uint32_t i = 0; i < connections; i++) CHECK(!workers[i].stream && !workers[i].asks[0].busy && !workers[i].asks[1].busy, i, 0);
    (void)dx_reactor_close(&reactor);
    kill(servers_pid, SIGTERM);
    (void)waitpid(servers_pid, &status, 0);
    kill(proxy_pid, SIGKILL);
    (void)waitpid(proxy_pid, NULL, 0);
    const int count = WEXITSTATUS(status);
    printf("     %u connections, %llu s: %llu calls answered, %llu refused by drains, %llu ended with an error; streams: %llu whole, %llu lost, %llu MB\n",
           connections, (unsigned long long)seconds, (unsigned long long)good, (unsigned long long)refused, (unsigned long long)errors,
           (unsigned long long)streams_good, (unsigned long long)streams_lost, (unsigned long long)(stream_bytes >> 20));
    printf("     %u resets, %u stalls, %u dribble, %u forgotten, %u halves closed; %d servers; client %u -> %u KB\n", all->faults[0],
           all->faults[1], all->faults[2], all->faults[3], all->faults[4], count, before_kb, after_kb);
    CHECK(good > connections && errors && streams_good > connections / 4 && streams_lost, good, streams_good);
    CHECK(count > 1 && refused, count, refused);
    CHECK(after_kb <= before_kb + 4096 + (uint32_t)(sizeof *all / 1024), before_kb, after_kb); /* the pages of `all`, too */
    for (int i = 0; i < count; i++) {
        CHECK(all->drained[i], i, count);
        if (all->settled_kb[i]) CHECK(all->last_kb[i] <= all->settled_kb[i] + 2048 + (uint32_t)(sizeof *all / 1024), all->settled_kb[i], all->last_kb[i]);
    }
    puts("chaos: 1 passed, 0 failed, 0 skipped");
    return 0;
}
