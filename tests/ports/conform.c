/* Conformance: the same traces on each backend, and the resulting events.
   usage: conform BACKEND [OUTPUT|- [TRACE|- [RANDOMS]]]
   BACKEND: io_uring, epoll, kqueue, iocp, simulated; auto: what the system supports

   A trace is a function that starts operations and logs the results: an operation's name and its result.
   The events required by the contract (docs/reactor.md) are listed next to each trace; OUTPUT receives
   the events, for a comparison of backends. Random traces compute theirs from a model of a few
   connections. On systems with signals, everything runs a second time while a timer interrupts it. */
#if !defined(_WIN32)
  #define _GNU_SOURCE
#endif
#if defined(CONFORM_FAULTS) /* of the kernel's ring */
  #include "../reactor_faults.h"
#endif
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../dx_reactor_sim.h"
#include "../dx_test.h"
#define REACTOR_KIT_SYSTEM
#include "../cores/reactor_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
  #include <process.h>
#else
  #include <pthread.h>
  #include <signal.h>
  #include <sys/resource.h>
  #include <sys/time.h>
#endif

enum { OPS = 96, BUFFER = 256, LOG = 8192, ENDS = 96 };

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)
#if !defined(PATIENCE)
  #define PATIENCE (120 * S)
#endif

typedef struct world {
    dx_reactor      r;
    dx_reactor_desc desc;
    dx_reactor_sim  sim;
    dx_reactor_sim_desc sim_desc;
    dx_op           ops[OPS];
    uint8_t         buffers[OPS][BUFFER];
    int32_t         results[OPS];
    uint32_t        ended[OPS], more[OPS]; /* completions: terminal ones, others */
    int             fds[ENDS], fd_count, accepted[16], accepted_count;
    dx_reactor_address at; /* of the listener */
    int             listener;
    uint8_t         pool[1024]; /* received in buffers of the pool */
    uint32_t        pooled, held[64], held_count;
    char            log[LOG];
    size_t          used;
    const char     *wrong;
} world;

static int      backend;
static uint32_t interrupts;

/* >>kit ---------------------------------------------------------------- */
static void note(world *w, const char *format, ...)
{
    va_list list;
    int n;
    if (w->used && w->used + 1 < LOG) w->log[w->used++] = ' ';
    va_start(list, format);
    n = vsnprintf(w->log + w->used, LOG - w->used, format, list);
    va_end(list);
    if (n > 0) w->used += (size_t)n < LOG - w->used ? (size_t)n : LOG - w->used - 1;
}

/* A broken expectation of the harness itself: the trace fails. */
static void wrong(world *w, const char *what)
{
    if (!w->wrong) w->wrong = what;
}

#define MUST_OF(m, condition) ((condition) ? (void)0 : wrong((m)->w, #condition))
#define MUST(condition) ((condition) ? (void)0 : wrong(w, #condition))

static const char *result_name(int32_t result)
{
    static char number[16];
    switch (result) {
    case -ECANCELED: return "canceled";
    case -ETIMEDOUT: return "timedout";
    case -EBADF: return "badf";
    case -ECONNREFUSED: return "refused";
    case -ENOTSOCK: return "notsock";
    case -ENOTCONN: return "notconn";
    case -EINVAL: return "inval";
    case -EMFILE: return "emfile";
    case -ENOBUFS: return "nobufs";
    case -ESPIPE: return "spipe";
    case -EISCONN: return "isconn";
    case -EMSGSIZE: return "msgsize";
    case -EPIPE: return "pipe";
    case -ECONNRESET: return "reset";
    default: snprintf(number, sizeof number, "%d", (int)result); return number;
    }
}

static const char *error_name(int error)
{
    return dx_reactor_error_name(error) + strlen("DX_REACTOR_");
}

static bool simulated(void)
{
    return backend == DX_REACTOR_BACKEND_SIMULATED;
}

static void nap(uint32_t ms)
{
#if defined(_WIN32)
    Sleep(ms);
#else
    struct timespec t = {0, (long)ms * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
#endif
}

static void open_world(world *w)
{
    w->desc.backend = backend;
    if (simulated()) {
        w->sim_desc.memory_size = dx_reactor_sim_memory_size(&w->sim_desc);
        w->sim_desc.memory = malloc(w->sim_desc.memory_size);
        MUST(dx_reactor_sim_init(&w->sim, &w->sim_desc) == DX_REACTOR_OK);
        w->desc.simulator = &w->sim.base;
    }
    w->desc.memory_size = dx_reactor_memory_size(&w->desc);
    w->desc.memory = malloc(w->desc.memory_size);
    MUST(dx_reactor_open(&w->r, &w->desc) == DX_REACTOR_OK);
    w->listener = -1;
    for (int i = 0; i < OPS; i++) w->ops[i].user_data = (uint64_t)i;
}

static void took(world *w, uint64_t id, int32_t result, uint32_t flags)
{
    if (id >= OPS) {
        wrong(w, "a completion of nobody's");
        return;
    }
    if (flags & DX_REACTOR_F_BUFFER) {
        const void *bytes = dx_reactor_buffer(&w->r, flags);
        if (!bytes || result <= 0 || w->pooled + (uint32_t)result > sizeof w->pool ||
            w->held_count == 64) {
            wrong(w, "a piece without bytes");
            return;
        }
        memcpy(w->pool + w->pooled, bytes, (size_t)result);
        w->pooled += (uint32_t)result;
        w->held[w->held_count++] = flags;
        w->more[id]++;
    } else if (flags & DX_REACTOR_F_MORE) {
        w->more[id]++;
    } else {
        if (w->ended[id]) wrong(w, "a second terminal completion");
        if (dx_reactor_op_pending(&w->ops[id])) wrong(w, "pending after its end");
        w->ended[id]++;
        w->results[id] = result;
    }
    if (w->ops[id].kind_ == DX_REACTOR_P_ACCEPT && result >= 0) {
        w->accepted[w->accepted_count++ % 16] = result;
        w->fds[w->fd_count++ % ENDS] = result;
    }
}

/* Take completions until *counter reaches `least`, for at most two minutes. */
static bool until(world *w, const uint32_t *counter, uint32_t least)
{
    dx_completion done[8];
    uint64_t began = dx_reactor_p_monotonic();
    while (*counter < least) {
        int n = dx_reactor_wait(&w->r, done, 8, simulated() ? (int64_t)S : (int64_t)(50 * MS));
        if (n < 0 || dx_reactor_p_monotonic() - began > PATIENCE) return false;
        for (int i = 0; i < n; i++) took(w, done[i].user_data, done[i].result, done[i].flags);
    }
    return true;
}

/* Wait for the end of an operation. */
static int32_t ends(world *w, int id)
{
    if (!until(w, &w->ended[id], 1)) {
        wrong(w, "an operation does not end");
        return INT32_MIN;
    }
    w->ended[id] = 0;
    return w->results[id];
}

/* Wait for the end of each, and log the results in this order. "ab*": a, then b; * matches a reset,
   which systems report in two ways. */
static void await(world *w, const char *ids)
{
    for (; *ids; ids++) {
        int32_t result = ends(w, *ids - 'a');
        bool broken = result == -ECONNRESET || result == -EPIPE || result == -ECONNABORTED;
        if (ids[1] == '*') {
            note(w, "%c=%s", *ids, broken ? "broken" : result_name(result));
            ids++;
        } else {
            note(w, "%c=%s", *ids, result_name(result));
        }
    }
}

/* Nothing else comes. */
static void quiet(world *w)
{
    dx_completion done[8];
    for (int i = 0; i < 3; i++) {
        int n = dx_reactor_wait(&w->r, done, 8, 0);
        if (n > 0) wrong(w, "a completion too many");
    }
}

static dx_op *op(world *w, char id)
{
    return &w->ops[id - 'a'];
}
static uint8_t *buffer(world *w, char id)
{
    return w->buffers[id - 'a'];
}

static void keep(world *w, int fd)
{
    w->fds[w->fd_count++ % ENDS] = fd;
}

static void forget(world *w, int fd)
{
    for (int i = 0; i < w->fd_count && i < ENDS; i++)
        if (w->fds[i] == fd) w->fds[i] = -1;
}

static void started(world *w, char id, int error)
{
    if (error) note(w, "%c:%s", id, error_name(error));
}

static void recv_on(world *w, char id, int fd, uint32_t size)
{
    started(w, id, dx_reactor_recv(&w->r, op(w, id), fd, buffer(w, id), size));
}

static void send_on(world *w, char id, int fd, const char *text)
{
    memcpy(buffer(w, id), text, strlen(text));
    started(w, id, dx_reactor_send(&w->r, op(w, id), fd, buffer(w, id), (uint32_t)strlen(text)));
}

static void close_on(world *w, char id, int fd)
{
    forget(w, fd);
    started(w, id, dx_reactor_close_fd(&w->r, op(w, id), fd));
}

static void cancel(world *w, char id)
{
    note(w, "cancel(%c):%s", id, error_name(dx_reactor_cancel(&w->r, op(w, id))));
}

/* Log the bytes that an operation has received. */
static void text(world *w, char id)
{
    int32_t n = w->results[id - 'a'];
    if (n > 0 && n <= BUFFER) note(w, "\"%.*s\"", (int)n, (const char *)buffer(w, id));
}

static int listening(world *w)
{
    dx_reactor_address any;
    if (w->listener >= 0) return w->listener;
    MUST(dx_reactor_address_parse(&any, "127.0.0.1:0") == 0);
    MUST(dx_reactor_listen(&w->r, &any, 0, 0, &w->listener, &w->at) == 0);
    keep(w, w->listener);
    return w->listener;
}

static int dialer(world *w)
{
    int fd = -1;
    listening(w);
    MUST(dx_reactor_socket(&w->r, &w->at, DX_REACTOR_NODELAY, &fd) == 0);
    keep(w, fd);
    return fd;
}

/* A connection: *a connected, *b accepted. Uses the last two operations. */
static void tcp(world *w, int *a, int *b)
{
    int l = listening(w);
    *a = dialer(w);
    MUST(dx_reactor_accept(&w->r, &w->ops[OPS - 1], l) == 0);
    MUST(dx_reactor_connect(&w->r, &w->ops[OPS - 2], *a, &w->at) == 0);
    MUST(ends(w, OPS - 2) == 0);
    *b = ends(w, OPS - 1);
    MUST(*b >= 0);
}

/* Reset the connection of fd, as its peer sees it. */
static void reset(world *w, int fd)
{
    if (simulated()) {
        dx_reactor_sim_reset(&w->r, fd);
        return;
    }
    struct linger l = {1, 0};
#if defined(_WIN32)
    setsockopt(dx_reactor_p_socket_of(fd), SOL_SOCKET, SO_LINGER, (const char *)&l, sizeof l);
#else
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
#endif
    forget(w, fd);
    MUST(dx_reactor_close_fd(&w->r, &w->ops[OPS - 3], fd) == 0);
    MUST(ends(w, OPS - 3) == 0);
}

/* A temporary file with the content "0123456789". */
static int file(world *w)
{
    static const char content[] = "0123456789";
    int fd = -1;
#if defined(_WIN32)
    char folder[MAX_PATH], path[MAX_PATH];
    DWORD written;
    HANDLE h;
    GetTempPathA(sizeof folder, folder);
    GetTempFileNameA(folder, "dxc", 0, path);
    h = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    WriteFile(h, content, 10, &written, NULL);
    CloseHandle(h);
    fd = (int)(intptr_t)CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                    FILE_FLAG_OVERLAPPED | FILE_FLAG_DELETE_ON_CLOSE, NULL);
#else
    FILE *temporary = tmpfile();
    fd = temporary ? dup(fileno(temporary)) : -1;
    if (temporary) fclose(temporary);
    MUST(write(fd, content, 10) == 10);
#endif
    MUST(fd != -1);
    keep(w, fd);
    return fd;
}

typedef void thread_body(world *w);

typedef struct helper {
    thread_body *body;
    world       *w;
#if defined(_WIN32)
    HANDLE thread;
#else
    pthread_t thread;
#endif
} helper;

#if defined(_WIN32)
static unsigned __stdcall helper_main(void *user)
#else
static void *helper_main(void *user)
#endif
{
    helper *h = (helper *)user;
    nap(5);
    h->body(h->w);
    return 0;
}

/* Run body on another thread while this one waits; on the simulated backend, whose time stops for other
   threads, run it before the wait. */
static void beside(world *w, helper *h, thread_body *body)
{
    h->body = body;
    h->w = w;
    if (simulated()) {
        body(w);
        return;
    }
#if defined(_WIN32)
    h->thread = (HANDLE)_beginthreadex(NULL, 0, helper_main, h, 0, NULL);
#else
    MUST(pthread_create(&h->thread, NULL, helper_main, h) == 0);
#endif
}

static void join(helper *h)
{
    if (simulated()) return;
#if defined(_WIN32)
    WaitForSingleObject(h->thread, INFINITE);
    CloseHandle(h->thread);
#else
    pthread_join(h->thread, NULL);
#endif
}

/* >>streams ------------------------------------------------------------ */
static void stream_echo(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "hello");
    recv_on(w, 'b', b, 64);
    await(w, "ab");
    text(w, 'b');
    send_on(w, 'c', b, "world!");
    recv_on(w, 'd', a, 64);
    await(w, "cd");
    text(w, 'd');
}

static void recv_waits(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    quiet(w);
    send_on(w, 'b', a, "x");
    await(w, "ba");
}

static void small_buffers(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "abcdef");
    await(w, "a");
    recv_on(w, 'b', b, 2);
    await(w, "b");
    recv_on(w, 'c', b, 3);
    await(w, "c");
    recv_on(w, 'd', b, 3);
    await(w, "d");
    text(w, 'b');
    text(w, 'c');
    text(w, 'd');
}

static void end_after_data(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "last");
    await(w, "a");
    close_on(w, 'b', a);
    await(w, "b");
    recv_on(w, 'c', b, 64);
    await(w, "c");
    recv_on(w, 'd', b, 64);
    await(w, "d");
    recv_on(w, 'e', b, 64);
    await(w, "e");
}

static void half_close(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "request");
    started(w, 'b', dx_reactor_shutdown(&w->r, op(w, 'b'), a));
    recv_on(w, 'c', b, 64);
    await(w, "abc");
    recv_on(w, 'd', b, 64);
    await(w, "d");
    send_on(w, 'e', b, "reply");
    recv_on(w, 'f', a, 64);
    await(w, "ef");
    send_on(w, 'g', a, "late");
    await(w, "g");
    started(w, 'h', dx_reactor_shutdown(&w->r, op(w, 'h'), b));
    recv_on(w, 'i', a, 64);
    await(w, "hi");
}

static void receives_keep_their_order(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    recv_on(w, 'b', b, 64);
    recv_on(w, 'c', b, 64);
    send_on(w, 'd', a, "one");
    await(w, "da");
    send_on(w, 'e', a, "two");
    await(w, "eb");
    send_on(w, 'f', a, "three");
    await(w, "fc");
    text(w, 'a');
    text(w, 'b');
    text(w, 'c');
}

static void sends_keep_their_order(world *w)
{
    int a, b;
    uint32_t got = 0;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "one,");
    send_on(w, 'b', a, "two,");
    send_on(w, 'c', a, "three,");
    started(w, 'd', dx_reactor_shutdown(&w->r, op(w, 'd'), a));
    await(w, "abcd");
    while (got < 14) {
        int32_t n;
        if (dx_reactor_recv(&w->r, op(w, 'e'), b, buffer(w, 'e') + got, 64) != 0) break;
        n = ends(w, 'e' - 'a');
        if (n <= 0) break;
        got += (uint32_t)n;
    }
    note(w, "\"%.*s\"", (int)got, (const char *)buffer(w, 'e'));
    recv_on(w, 'f', b, 64);
    await(w, "f");
}

static void nothing_to_send(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "");
    await(w, "a");
}

static void stream_read_and_write(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    memcpy(buffer(w, 'a'), "stream", 6);
    started(w, 'a', dx_reactor_write(&w->r, op(w, 'a'), a, buffer(w, 'a'), 6, DX_REACTOR_NO_OFFSET));
    started(w, 'b', dx_reactor_read(&w->r, op(w, 'b'), b, buffer(w, 'b'), 64, DX_REACTOR_NO_OFFSET));
    await(w, "ab");
    text(w, 'b');
}

/* A stream has no offsets; nothing waits, nothing is read. */
static void offset_of_a_stream(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    send_on(w, 'a', a, "bytes");
    await(w, "a");
    started(w, 'b', dx_reactor_read(&w->r, op(w, 'b'), b, buffer(w, 'b'), 4, 0));
    started(w, 'c', dx_reactor_write(&w->r, op(w, 'c'), b, buffer(w, 'c'), 4, 7));
    await(w, "bc");
    recv_on(w, 'd', b, 64);
    await(w, "d");
    text(w, 'd');
}

/* More than all buffers in between hold, with a slow reader: every byte arrives, in order. */
static void transfer_with(world *w, int (*send)(dx_reactor *, dx_op *, int, const void *, uint32_t))
{
    enum { TOTAL = 2 << 20 };
    uint8_t *data = malloc(TOTAL), *piece = malloc(1 << 16);
    uint32_t got = 0, bad = 0;
    int a, b;
    tcp(w, &a, &b);
    for (uint32_t i = 0; i < TOTAL; i++) data[i] = (uint8_t)(i * 2654435761u >> 23);
    MUST(send(&w->r, op(w, 'a'), a, data, TOTAL) == 0);
    while (got < TOTAL) {
        int32_t n;
        if (dx_reactor_recv(&w->r, op(w, 'b'), b, piece, 1 << 16) != 0) break;
        n = ends(w, 1);
        if (n <= 0) break;
        for (int32_t i = 0; i < n; i++) bad += piece[i] != data[got + (uint32_t)i];
        got += (uint32_t)n;
    }
    await(w, "a");
    note(w, "got=%u bad=%u sent=%u", got, bad, dx_reactor_op_transferred(op(w, 'a')));
    free(data);
    free(piece);
}

static void large_transfer(world *w)
{
    transfer_with(w, dx_reactor_send);
}

static void large_transfer_without_a_copy(world *w)
{
    transfer_with(w, dx_reactor_send_zero_copy);
}

static void both_directions(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', a, 64);
    recv_on(w, 'b', b, 64);
    send_on(w, 'c', a, "ping");
    send_on(w, 'd', b, "pong!");
    await(w, "abcd");
}

static void many_connections(world *w)
{
    int a[24], b[24], sum = 0;
    for (int i = 0; i < 24; i++) tcp(w, &a[i], &b[i]);
    for (int i = 0; i < 24; i++)
        MUST(dx_reactor_recv(&w->r, &w->ops[i], b[i], w->buffers[i], 64) == 0);
    for (int i = 23; i >= 0; i--)
        MUST(dx_reactor_send(&w->r, &w->ops[24 + i], a[i], "0123456789abcdefghijklmn",
                             (uint32_t)i + 1) == 0);
    for (int i = 0; i < 24; i++) {
        MUST(ends(w, i) == i + 1);
        sum += ends(w, 24 + i);
    }
    note(w, "sum=%d", sum);
}

static void an_operation_is_used_again(world *w)
{
    int a, b, sum = 0;
    tcp(w, &a, &b);
    for (int i = 0; i < 50; i++) {
        MUST(dx_reactor_send(&w->r, op(w, 'a'), a, "x", 1) == 0);
        MUST(dx_reactor_recv(&w->r, op(w, 'b'), b, buffer(w, 'b'), 9) == 0);
        sum += ends(w, 0) + ends(w, 1);
    }
    note(w, "sum=%d", sum);
}

/* >>accept and connect ------------------------------------------------- */
static void connect_refused(world *w)
{
    int l = listening(w), a = dialer(w);
    close_on(w, 'a', l);
    await(w, "a");
    started(w, 'b', dx_reactor_connect(&w->r, op(w, 'b'), a, &w->at));
    await(w, "b");
}

static void connected_twice(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_connect(&w->r, op(w, 'a'), a, &w->at));
    await(w, "a");
    send_on(w, 'b', a, "still");
    recv_on(w, 'c', b, 64);
    await(w, "bc");
}

static void accept_canceled(world *w)
{
    int l = listening(w), a;
    started(w, 'a', dx_reactor_accept(&w->r, op(w, 'a'), l));
    cancel(w, 'a');
    await(w, "a");
    a = dialer(w);
    started(w, 'b', dx_reactor_connect(&w->r, op(w, 'b'), a, &w->at));
    await(w, "b");
    started(w, 'c', dx_reactor_accept(&w->r, op(w, 'c'), l));
    note(w, "accepted=%d", ends(w, 2) >= 0);
}

static void accept_many(world *w)
{
    int l = listening(w);
    started(w, 'a', dx_reactor_accept_multishot(&w->r, op(w, 'a'), l));
    for (char i = 'b'; i < 'g'; i++)
        started(w, i, dx_reactor_connect(&w->r, op(w, i), dialer(w), &w->at));
    await(w, "bcdef");
    MUST(until(w, &w->more[0], 5));
    note(w, "accepted=%u", w->more[0]);
    cancel(w, 'a');
    await(w, "a");
    quiet(w);
}

static void accepts_in_line(world *w)
{
    int l = listening(w), sum = 0;
    for (char i = 'a'; i < 'e'; i++) started(w, i, dx_reactor_accept(&w->r, op(w, i), l));
    for (char i = 'e'; i < 'i'; i++)
        started(w, i, dx_reactor_connect(&w->r, op(w, i), dialer(w), &w->at));
    for (int i = 0; i < 4; i++) sum += ends(w, i) >= 0;
    await(w, "efgh");
    note(w, "accepted=%d", sum);
}

static void listener_closed(world *w)
{
    int l = listening(w);
    started(w, 'a', dx_reactor_accept(&w->r, op(w, 'a'), l));
    started(w, 'b', dx_reactor_accept_multishot(&w->r, op(w, 'b'), l));
    close_on(w, 'c', l);
    await(w, "abc");
}

/* >>cancellation and deadlines ----------------------------------------- */
static void cancel_loses_no_data(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    quiet(w);
    cancel(w, 'a');
    await(w, "a");
    send_on(w, 'b', a, "kept");
    await(w, "b");
    recv_on(w, 'c', b, 64);
    await(w, "c");
}

static void cancel_twice(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    quiet(w);
    cancel(w, 'a');
    dx_reactor_cancel(&w->r, op(w, 'a')); /* OK, or EALREADY: it may have ended at once */
    await(w, "a");
    quiet(w);
    cancel(w, 'a');
    quiet(w);
}

static void cancel_of_nothing(world *w)
{
    cancel(w, 'a');
    started(w, 'b', dx_reactor_timer(&w->r, op(w, 'b'), 0));
    await(w, "b");
    cancel(w, 'b');
    quiet(w);
}

static void cancel_what_waits_behind(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    recv_on(w, 'b', b, 64);
    recv_on(w, 'c', b, 64);
    cancel(w, 'b');
    await(w, "b");
    send_on(w, 'd', a, "1");
    await(w, "da");
    send_on(w, 'e', a, "2");
    await(w, "ec");
}

/* Memory passed to the system must stay untouched until the completion, and not longer. */
static void e20_memory_is_free_after_the_end(world *w)
{
    int a, b, canceled = 0;
    tcp(w, &a, &b);
    for (int i = 0; i < 40; i++) {
        struct {
            dx_op   op;
            uint8_t bytes[64];
        } *lent = calloc(1, sizeof *lent);
        lent->op.user_data = 0;
        MUST(dx_reactor_recv(&w->r, &lent->op, b, lent->bytes, sizeof lent->bytes) == 0);
        if (i % 2) quiet(w);
        MUST(dx_reactor_cancel(&w->r, &lent->op) == 0);
        canceled += ends(w, 0) == -ECANCELED;
        memset(lent, 0xee, sizeof *lent);
        free(lent);
    }
    note(w, "canceled=%d", canceled);
    send_on(w, 'b', a, "not closed for reading");
    recv_on(w, 'c', b, 64);
    await(w, "bc");
}

static void deadline_strikes(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    started(w, 'b', dx_reactor_deadline(&w->r, op(w, 'b'), op(w, 'a'), 3 * MS));
    started(w, 'c', dx_reactor_deadline(&w->r, op(w, 'c'), op(w, 'a'), 3 * MS));
    await(w, "ab");
    send_on(w, 'd', a, "kept");
    recv_on(w, 'e', b, 64);
    await(w, "de");
    started(w, 'f', dx_reactor_deadline(&w->r, op(w, 'f'), op(w, 'a'), 3 * MS));
}

static void deadline_in_vain(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    started(w, 'b', dx_reactor_deadline(&w->r, op(w, 'b'), op(w, 'a'), 1000 * S));
    send_on(w, 'c', a, "soon");
    await(w, "cab");
}

static void deadline_of_an_accept(world *w)
{
    int l = listening(w);
    started(w, 'a', dx_reactor_accept(&w->r, op(w, 'a'), l));
    started(w, 'b', dx_reactor_deadline(&w->r, op(w, 'b'), op(w, 'a'), 2 * MS));
    await(w, "ab");
}

static void deadline_canceled(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    started(w, 'b', dx_reactor_deadline(&w->r, op(w, 'b'), op(w, 'a'), 1000 * S));
    cancel(w, 'b');
    await(w, "b");
    cancel(w, 'a');
    await(w, "a");
}

/* >>time --------------------------------------------------------------- */
static void order_of(world *w, int count)
{
    dx_completion done[8];
    uint64_t began = dx_reactor_p_monotonic();
    while (count > 0 && dx_reactor_p_monotonic() - began < 120 * S) {
        int n = dx_reactor_wait(&w->r, done, 1, (int64_t)S);
        for (int i = 0; i < n; i++) {
            note(w, "%c=%s", (char)('a' + done[i].user_data), result_name(done[i].result));
            count--;
        }
    }
}

/* Times, not delays: delays start when they are requested, and the machine may stall in between. */
static void timers_in_order(world *w)
{
    static const uint64_t delays[] = {200 * MS, 40 * MS, 120 * MS, 0, 120 * MS, 80 * MS, 20 * MS};
    uint64_t now = dx_reactor_refresh_now_ns(&w->r);
    for (int i = 0; i < 7; i++) started(w, 'a', dx_reactor_timer_at(&w->r, &w->ops[i], now + delays[i]));
    order_of(w, 7);
}

static void timer_canceled(world *w)
{
    started(w, 'a', dx_reactor_timer(&w->r, op(w, 'a'), 1000 * S));
    started(w, 'b', dx_reactor_timer(&w->r, op(w, 'b'), MS));
    cancel(w, 'a');
    await(w, "ab");
}

static void timer_never_early(world *w)
{
    static const uint64_t delays[] = {0, 1, 1000, 100000, MS, 7 * MS};
    int early = 0;
    for (int i = 0; i < 6; i++) {
        uint64_t began = dx_reactor_refresh_now_ns(&w->r);
        started(w, 'a', dx_reactor_timer(&w->r, op(w, 'a'), delays[i]));
        MUST(ends(w, 0) == 0);
        early += dx_reactor_refresh_now_ns(&w->r) - began < delays[i];
    }
    note(w, "early=%d", early);
}

/* The process was stopped, or the machine slept: timers that became due fire in order. */
static void the_clock_jumps(world *w)
{
    static const uint64_t delays[] = {90 * MS, 20 * MS, 60 * MS, 40 * MS};
    uint64_t now = dx_reactor_refresh_now_ns(&w->r);
    for (int i = 0; i < 4; i++) started(w, 'a', dx_reactor_timer_at(&w->r, &w->ops[i], now + delays[i]));
    started(w, 'e', dx_reactor_timer(&w->r, op(w, 'e'), 3000000 * S));
    if (simulated()) dx_reactor_sim_advance(&w->r, 3600 * S);
    else nap(120);
    order_of(w, 4);
    quiet(w);
    cancel(w, 'e');
    await(w, "e");
}

static void farthest_timer(world *w)
{
    started(w, 'a', dx_reactor_timer(&w->r, op(w, 'a'), UINT64_MAX));
    started(w, 'b', dx_reactor_timer(&w->r, op(w, 'b'), MS));
    await(w, "b");
    cancel(w, 'a');
    await(w, "a");
}

static void wait_times_out(world *w)
{
    dx_completion done;
    uint64_t began = dx_reactor_refresh_now_ns(&w->r), end = began + 3 * MS;
    int n = 0;
    while (n == 0 && dx_reactor_refresh_now_ns(&w->r) < end)
        n = dx_reactor_wait(&w->r, &done, 1, (int64_t)(end - dx_reactor_now_ns(&w->r)));
    note(w, "n=%d", n);
}

static void at_least_three(world *w)
{
    dx_completion done[8];
    int n;
    for (int i = 0; i < 4; i++) started(w, 'a', dx_reactor_timer(&w->r, &w->ops[i], (uint64_t)i * MS));
    n = dx_reactor_submit_and_wait(&w->r, done, 8, 3, (int64_t)(120 * S));
    note(w, "enough=%d", n >= 3);
    for (int i = 0; i < n; i++) w->ended[done[i].user_data]++;
    MUST(until(w, &w->ended[3], 1));
}

/* >>closing ------------------------------------------------------------ */
static void close_ends_everything(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    recv_on(w, 'b', b, 64);
    close_on(w, 'c', b);
    recv_on(w, 'd', b, 64);
    await(w, "abcd");
    recv_on(w, 'e', a, 64);
    await(w, "e");
}

static void closed_twice(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    close_on(w, 'b', b);
    close_on(w, 'c', b);
    await(w, "abc");
}

static void number_comes_back(world *w)
{
    int a, b, c;
    tcp(w, &a, &b);
    recv_on(w, 'a', a, 64);
    quiet(w);
    close_on(w, 'b', a);
    await(w, "ab");
    c = dialer(w); /* often the same number */
    started(w, 'c', dx_reactor_connect(&w->r, op(w, 'c'), c, &w->at));
    await(w, "c");
    recv_on(w, 'd', c, 64);
    quiet(w);
    send_on(w, 'e', b, "old");
    ends(w, 4); /* the peer of the closed one: lost, or refused */
    quiet(w);
    started(w, 'f', dx_reactor_accept(&w->r, op(w, 'f'), w->listener));
    b = ends(w, 5);
    send_on(w, 'g', b, "new");
    await(w, "gd");
    text(w, 'd');
}

static void forgotten(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    note(w, "forget:%s", error_name(dx_reactor_forget(&w->r, b)));
    send_on(w, 'b', a, "x");
    await(w, "ba");
    note(w, "forget:%s", error_name(dx_reactor_forget(&w->r, b)));
    recv_on(w, 'c', b, 64);
    send_on(w, 'd', a, "y");
    await(w, "dc");
}

static void count_end(dx_reactor *r, dx_op *o, int32_t result, uint32_t flags)
{
    world *w = (world *)(void *)((char *)r - offsetof(world, r));
    took(w, o->user_data, result, flags);
}

static void destroyed_with_work_pending(world *w)
{
    const char *ids = "abcdef";
    int a, b, l = listening(w);
    uint8_t *data = calloc(1, 32 << 20);
    dx_reactor_message message;
    tcp(w, &a, &b);
    for (int i = 0; i < OPS; i++) w->ops[i].fn = count_end;
    recv_on(w, 'a', b, 64);
    recv_on(w, 'b', b, 64);
    started(w, 'c', dx_reactor_accept_multishot(&w->r, op(w, 'c'), l));
    started(w, 'd', dx_reactor_timer(&w->r, op(w, 'd'), 1000 * S));
    started(w, 'e', dx_reactor_send(&w->r, op(w, 'e'), a, data, 32 << 20));
    started(w, 'f', dx_reactor_receive(&w->r, op(w, 'f'), &message, 1));
    note(w, "close:%s", error_name(dx_reactor_close(&w->r)));
    for (; *ids; ids++) {
        if (w->ended[*ids - 'a'] != 1) wrong(w, "not ended exactly once by the close");
        if (*ids == 'c' || *ids == 'd' || *ids == 'f')
            note(w, "%c=%s", *ids, result_name(w->results[*ids - 'a']));
    }
    note(w, "whole=%d", w->results[4] >= 0);
    free(data);
}

/* >>bad input ---------------------------------------------------------- */
static void bad_descriptor(world *w)
{
    int fd = dialer(w);
    close_on(w, 'a', fd);
    await(w, "a");
    recv_on(w, 'b', fd, 64);
    send_on(w, 'c', fd, "x");
    started(w, 'd', dx_reactor_accept(&w->r, op(w, 'd'), fd));
    started(w, 'e', dx_reactor_connect(&w->r, op(w, 'e'), fd, &w->at));
    started(w, 'f', dx_reactor_poll(&w->r, op(w, 'f'), fd, DX_REACTOR_READABLE));
    started(w, 'g', dx_reactor_read(&w->r, op(w, 'g'), fd, buffer(w, 'g'), 9, 0));
    started(w, 'h', dx_reactor_write(&w->r, op(w, 'h'), fd, buffer(w, 'h'), 9, 0));
    started(w, 'i', dx_reactor_fsync(&w->r, op(w, 'i'), fd, false));
    started(w, 'j', dx_reactor_accept_multishot(&w->r, op(w, 'j'), fd));
    await(w, "bcdefghij");
    started(w, 'k', dx_reactor_close_fd(&w->r, op(w, 'k'), fd));
    await(w, "k");
    recv_on(w, 'l', -1, 64);
    recv_on(w, 'm', 1 << 29, 64);
    await(w, "lm");
}

static void wrong_descriptor(world *w)
{
    int a, b, f = file(w);
    tcp(w, &a, &b);
    recv_on(w, 'a', f, 64);
    send_on(w, 'b', f, "x");
    started(w, 'c', dx_reactor_accept(&w->r, op(w, 'c'), f));
    started(w, 'd', dx_reactor_connect(&w->r, op(w, 'd'), f, &w->at));
    started(w, 'f', dx_reactor_fsync(&w->r, op(w, 'f'), a, false));
    started(w, 'g', dx_reactor_accept(&w->r, op(w, 'g'), a));
    recv_on(w, 'h', dialer(w), 64);
    await(w, "abcdfgh");
}

static void bad_arguments(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_recv(&w->r, op(w, 'a'), b, NULL, 5));
    started(w, 'b', dx_reactor_recv(&w->r, op(w, 'b'), b, buffer(w, 'b'), 0));
    started(w, 'c', dx_reactor_send(&w->r, op(w, 'c'), b, buffer(w, 'c'), 0x80000000u));
    started(w, 'd', dx_reactor_poll(&w->r, op(w, 'd'), b, 0));
    started(w, 'e', dx_reactor_connect(&w->r, op(w, 'e'), b, NULL));
    recv_on(w, 'f', b, 64);
    recv_on(w, 'f', b, 64); /* it is pending */
    cancel(w, 'f');
    await(w, "f");
}

static void reset_ends_a_receive(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    quiet(w);
    reset(w, a);
    await(w, "a");
}

static void reset_with(world *w, int (*send)(dx_reactor *, dx_op *, int, const void *, uint32_t))
{
    enum { SIZE = 32 << 20 };
    uint8_t *data = calloc(1, SIZE);
    int a, b;
    tcp(w, &a, &b);
    MUST(send(&w->r, op(w, 'a'), a, data, SIZE) == 0);
    send_on(w, 'b', a, "after it");
    recv_on(w, 'c', b, 64);
    ends(w, 2);
    reset(w, b);
    await(w, "a*b*");
    note(w, "partly=%d", dx_reactor_op_transferred(op(w, 'a')) < SIZE);
    free(data);
}

static void reset_in_the_middle_of_a_send(world *w)
{
    reset_with(w, dx_reactor_send);
}

static void reset_in_the_middle_of_a_send_without_a_copy(world *w)
{
    reset_with(w, dx_reactor_send_zero_copy);
}

static void peer_is_closed(world *w)
{
    int a, b;
    int32_t result = 0;
    tcp(w, &a, &b);
    close_on(w, 'a', b);
    await(w, "a");
    recv_on(w, 'b', a, 64);
    await(w, "b");
    for (int i = 0; i < 1000 && result >= 0; i++) {
        MUST(dx_reactor_send(&w->r, op(w, 'c'), a, "x", 1) == 0);
        result = ends(w, 2);
        nap(result >= 0 && !simulated());
    }
    note(w, "broken=%d", result == -ECONNRESET || result == -EPIPE || result == -ECONNABORTED);
}

/* >>limits ------------------------------------------------------------- */
static void too_many_operations(world *w)
{
    for (char i = 'a'; i < 'f'; i++) started(w, i, dx_reactor_timer(&w->r, op(w, i), MS));
    await(w, "abcd");
    started(w, 'e', dx_reactor_timer(&w->r, op(w, 'e'), MS));
    await(w, "e");
}

static void too_many_descriptors(world *w)
{
    int a, b, c, d, e = dialer(w);
    tcp(w, &a, &b);
    recv_on(w, 'a', a, 64);
    recv_on(w, 'b', b, 64);
    tcp(w, &c, &d);
    MUST(dx_reactor_forget(&w->r, w->listener) == 0);
    recv_on(w, 'c', c, 64);
    recv_on(w, 'd', d, 64);
    recv_on(w, 'e', e, 64); /* the fifth */
    await(w, "e");
    send_on(w, 'f', a, "go on");
    await(w, "fb");
    close_on(w, 'g', e); /* an unknown descriptor can be closed, too */
    await(w, "g");
    for (char i = 'a'; i < 'e'; i++)
        if (i != 'b') cancel(w, i);
    await(w, "acd");
    close_on(w, 'h', c);
    await(w, "h");
    recv_on(w, 'i', dialer(w), 64);
    await(w, "i");
}

static void full_submission_queue(world *w)
{
    int a[20], b[20], sum = 0;
    for (int i = 0; i < 20; i++) tcp(w, &a[i], &b[i]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            MUST(dx_reactor_recv(&w->r, &w->ops[i], b[i], w->buffers[i], 64) == 0);
        for (int i = 0; i < 20; i++)
            MUST(dx_reactor_send(&w->r, &w->ops[20 + i], a[i], "0123456789", 10) == 0);
        for (int i = 0; i < 40; i++) sum += ends(w, i);
    }
    note(w, "sum=%d", sum);
}

static void tiny_completion_queue(world *w)
{
    int a, b, sum = 0;
    tcp(w, &a, &b);
    for (int i = 0; i < 60; i++) {
        bool even = i % 2 == 0;
        MUST(dx_reactor_poll(&w->r, &w->ops[i], even ? a : b, DX_REACTOR_WRITABLE) == 0);
    }
    nap(2);
    for (int i = 0; i < 60; i++) sum += ends(w, i) == DX_REACTOR_WRITABLE;
    note(w, "sum=%d", sum);
}

/* No more descriptors may be opened: nothing is lost, and accepting resumes once they may. */
static void no_more_descriptors(world *w)
{
    int l = listening(w), a = dialer(w), b = dialer(w);
#if !defined(_WIN32)
    struct rlimit old, now;
    int spare[64], used = 0;
    getrlimit(RLIMIT_NOFILE, &old);
    now = old;
    now.rlim_cur = 64;
    if (!simulated()) {
        setrlimit(RLIMIT_NOFILE, &now);
        while (used < 64 && (spare[used] = dup(0)) >= 0) used++;
    }
#endif
    started(w, 'a', dx_reactor_connect(&w->r, op(w, 'a'), a, &w->at));
    await(w, "a");
    started(w, 'b', dx_reactor_accept_multishot(&w->r, op(w, 'b'), l));
    started(w, 'c', dx_reactor_accept(&w->r, op(w, 'c'), l));
    await(w, "bc");
#if !defined(_WIN32)
    while (used > 0) close(spare[--used]);
    setrlimit(RLIMIT_NOFILE, &old);
#endif
    close_on(w, 'd', b);
    await(w, "d");
    started(w, 'e', dx_reactor_accept(&w->r, op(w, 'e'), l));
    note(w, "accepted=%d", ends(w, 4) >= 0);
}

/* >>poll and files ----------------------------------------------------- */
static void poll_readable(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_poll(&w->r, op(w, 'a'), b, DX_REACTOR_READABLE));
    quiet(w);
    send_on(w, 'b', a, "x");
    await(w, "ba");
    started(w, 'c', dx_reactor_poll(&w->r, op(w, 'c'), b, DX_REACTOR_READABLE));
    await(w, "c");
    recv_on(w, 'd', b, 64);
    await(w, "d");
    started(w, 'e', dx_reactor_poll(&w->r, op(w, 'e'), b, DX_REACTOR_READABLE));
    quiet(w);
    cancel(w, 'e');
    await(w, "e");
}

static void poll_writable(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_poll(&w->r, op(w, 'a'), a, DX_REACTOR_WRITABLE));
    await(w, "a");
}

static void poll_a_listener(world *w)
{
    int l = listening(w), a;
    started(w, 'a', dx_reactor_poll(&w->r, op(w, 'a'), l, DX_REACTOR_READABLE));
    quiet(w);
    a = dialer(w);
    started(w, 'b', dx_reactor_connect(&w->r, op(w, 'b'), a, &w->at));
    await(w, "ba");
}

static void poll_sees_the_end(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_poll(&w->r, op(w, 'a'), b, DX_REACTOR_READABLE));
    started(w, 'b', dx_reactor_shutdown(&w->r, op(w, 'b'), a));
    await(w, "b");
    note(w, "a=%d", ends(w, 0) & DX_REACTOR_READABLE);
}

static void polls_have_no_order(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_poll(&w->r, op(w, 'a'), b, DX_REACTOR_READABLE));
    started(w, 'b', dx_reactor_poll(&w->r, op(w, 'b'), b, DX_REACTOR_WRITABLE));
    await(w, "b");
    started(w, 'c', dx_reactor_poll(&w->r, op(w, 'c'), b, DX_REACTOR_READABLE));
    send_on(w, 'd', a, "x");
    await(w, "dac");
}

static void file_reads_and_writes(world *w)
{
    int f = file(w);
    started(w, 'a', dx_reactor_read(&w->r, op(w, 'a'), f, buffer(w, 'a'), 4, 3));
    await(w, "a");
    text(w, 'a');
    memcpy(buffer(w, 'b'), "WXYZ", 4);
    started(w, 'b', dx_reactor_write(&w->r, op(w, 'b'), f, buffer(w, 'b'), 4, 8));
    await(w, "b");
    started(w, 'c', dx_reactor_fsync(&w->r, op(w, 'c'), f, true));
    await(w, "c");
    started(w, 'd', dx_reactor_read(&w->r, op(w, 'd'), f, buffer(w, 'd'), 64, 0));
    await(w, "d");
    text(w, 'd');
    started(w, 'e', dx_reactor_read(&w->r, op(w, 'e'), f, buffer(w, 'e'), 64, 12));
    await(w, "e");
    started(w, 'f', dx_reactor_fsync(&w->r, op(w, 'f'), f, false));
    close_on(w, 'g', f);
    ends(w, 5);
    await(w, "g");
}

/* More at once than there are threads, if threads do the work. */
static void files_at_once(world *w)
{
    enum { COUNT = 40 };
    char bytes[COUNT + 1] = "";
    int f = file(w), sum = 0;
    for (int i = 0; i < COUNT; i++)
        MUST(dx_reactor_write(&w->r, &w->ops[i], f, &"abcdefghij"[i % 10], 1, (uint64_t)i) == 0);
    for (int i = 0; i < COUNT; i++) sum += ends(w, i);
    MUST(dx_reactor_fsync(&w->r, &w->ops[COUNT], f, true) == 0);
    sum += ends(w, COUNT);
    for (int i = 0; i < COUNT; i++)
        MUST(dx_reactor_read(&w->r, &w->ops[i], f, bytes + i, 1, (uint64_t)(COUNT - 1 - i)) == 0);
    for (int i = 0; i < COUNT; i++) sum += ends(w, i);
    note(w, "sum=%d \"%s\"", sum, bytes);
}

/* Each operation ends once, with its result or cancelled, before its descriptor is closed. */
static void file_is_closed_with_work(world *w)
{
    enum { COUNT = 40 };
    int f = file(w), done = 0;
    for (int i = 0; i < COUNT; i++)
        MUST(dx_reactor_write(&w->r, &w->ops[i], f, "x", 1, (uint64_t)i) == 0);
    for (int i = 0; i < COUNT; i += 4) dx_reactor_cancel(&w->r, &w->ops[i]);
    forget(w, f);
    MUST(dx_reactor_close_fd(&w->r, &w->ops[COUNT], f) == 0);
    for (int i = 0; i < COUNT; i++) {
        int32_t result = ends(w, i);
        done += result == -ECANCELED || result == 1;
        MUST(dx_reactor_op_transferred(&w->ops[i]) == (result == 1));
    }
    note(w, "done=%d close=%s", done, result_name(ends(w, COUNT)));
    for (int i = 0; i <= COUNT; i++) MUST(w->ended[i] == 0);
}

/* >>pool --------------------------------------------------------------- */
static void give_back(world *w)
{
    while (w->held_count) MUST(dx_reactor_return_buffer(&w->r, w->held[--w->held_count]) == 0);
}

static void received_into_the_pool(world *w)
{
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_recv_multishot(&w->r, op(w, 'a'), b));
    quiet(w);
    send_on(w, 'b', a, "first");
    await(w, "b");
    MUST(until(w, &w->pooled, 5));
    send_on(w, 'c', a, "second");
    await(w, "c");
    MUST(until(w, &w->pooled, 11));
    note(w, "\"%.*s\"", (int)w->pooled, (const char *)w->pool);
    give_back(w);
    started(w, 'd', dx_reactor_shutdown(&w->r, op(w, 'd'), a));
    await(w, "da");
}

/* More than the pool holds: receiving pauses until buffers are returned, and nothing is lost. */
static void e13_an_empty_pool_is_no_error(world *w)
{
    uint32_t bad = 0;
    int a, b;
    tcp(w, &a, &b);
    started(w, 'a', dx_reactor_recv_multishot(&w->r, op(w, 'a'), b));
    for (int i = 0; i < 8; i++) {
        memset(w->buffers[1], 'a' + i, 100);
        MUST(dx_reactor_send(&w->r, op(w, 'b'), a, w->buffers[1], 100) == 0);
        MUST(ends(w, 1) == 100);
        if (i % 2 == 0) continue; /* two need four buffers; two may be held */
        while (w->pooled < 100 * (uint32_t)(i + 1)) {
            give_back(w);
            if (until(w, &w->pooled, w->pooled + 1)) continue;
            wrong(w, "nothing comes out of the pool");
            return;
        }
    }
    for (uint32_t i = 0; i < w->pooled; i++) bad += w->pool[i] != 'a' + i / 100;
    note(w, "n=%u bad=%u", w->pooled, bad);
    cancel(w, 'a');
    await(w, "a");
}

static void a_pool_of_others(world *w)
{
    note(w, "buffer=%d", dx_reactor_buffer(&w->r, DX_REACTOR_F_BUFFER | 0x30000u) != NULL);
    note(w, "return:%s", error_name(dx_reactor_return_buffer(&w->r, 0)));
    started(w, 'a', dx_reactor_recv_multishot(&w->r, op(w, 'a'), 1 << 29));
    await(w, "a");
}

/* >>datagrams ---------------------------------------------------------- */
static void datagrams(world *w)
{
    dx_reactor_address any, at[2];
    dx_reactor_datagram out, in;
    char bytes[64];
    int fds[2];
    MUST(dx_reactor_address_parse(&any, "127.0.0.1:0") == 0);
    for (int i = 0; i < 2; i++) {
        MUST(dx_reactor_bind_udp(&w->r, &any, 0, &fds[i], &at[i]) == 0);
        keep(w, fds[i]);
    }
    memset(&out, 0, sizeof out);
    memset(&in, 0, sizeof in);
    out.data = (void *)(uintptr_t)"datagram";
    out.address = at[1];
    in.data = bytes;
    static const struct {
        uint32_t send, room;
    } cases[] = {{8, 64}, {3, 64}, {0, 64}, {8, 4}, {8, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        out.size = cases[i].send;
        in.size = cases[i].room;
        if (i % 2) { /* once before it arrives, once after */
            started(w, 'a', dx_reactor_recvfrom(&w->r, op(w, 'a'), fds[1], &in));
            started(w, 'b', dx_reactor_sendto(&w->r, op(w, 'b'), fds[0], &out));
            await(w, "ba");
        } else {
            started(w, 'b', dx_reactor_sendto(&w->r, op(w, 'b'), fds[0], &out));
            await(w, "b");
            started(w, 'a', dx_reactor_recvfrom(&w->r, op(w, 'a'), fds[1], &in));
            await(w, "a");
        }
        if (w->results[0] >= 0)
            note(w, "from=%d", dx_reactor_address_port(&in.address) == dx_reactor_address_port(&at[0]));
    }
    started(w, 'c', dx_reactor_recvfrom(&w->r, op(w, 'c'), fds[1], &in));
    quiet(w);
    cancel(w, 'c');
    await(w, "c");
}

/* >>threads ------------------------------------------------------------ */
static void post_three(world *w)
{
    for (uint64_t i = 1; i <= 3; i++) {
        dx_reactor_message m = {{i, 10 * i, 100 * i}};
        if (dx_reactor_post(&w->r, &m) != 0) wrong(w, "post");
    }
}

static void messages_of_a_thread(world *w)
{
    dx_reactor_message got[8];
    uint64_t sum = 0;
    uint32_t n = 0;
    helper h;
    beside(w, &h, post_three);
    while (n < 3) {
        int32_t some;
        MUST(dx_reactor_receive(&w->r, op(w, 'a'), got + n, 8 - n) == 0);
        some = ends(w, 0);
        if (some <= 0) break;
        n += (uint32_t)some;
    }
    join(&h);
    for (uint32_t i = 0; i < n; i++) sum = sum * 10 + got[i].words[0] + got[i].words[2];
    note(w, "n=%u sum=%u", n, (unsigned)sum);
}

/* >>groups --------------------------------------------------------------

   One worker listens and passes accepted connections on, round-robin: for systems where several sockets
   cannot share a port. Each worker answers a byte with that byte and its own letter. */
enum { CREW = 3, CALLS = 7 };

typedef struct crew {
    dx_reactor_group      group;
    dx_reactor_group_desc desc;
    dx_reactor_address    at;
    dx_op                 accepting, closing, receiving[CREW], calls[CALLS];
    dx_reactor_message    messages[CREW][4];
    char                  bytes[CALLS][2];
    int                   listener;
    uint32_t              accepted, answered, ran;
    dx_reactor_task       tasks[30];
} crew;

static void crew_answered(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    crew *c = (crew *)dx_reactor_op_user(op);
    (void)flags;
    (void)result;
    op->fn = NULL;
    __atomic_add_fetch(&c->answered, 1, __ATOMIC_SEQ_CST);
    dx_reactor_close_fd(r, op, op->fd_);
}

static void crew_asked(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    crew *c = (crew *)dx_reactor_op_user(op);
    size_t i = (size_t)(op - c->calls);
    (void)flags;
    op->fn = crew_answered;
    if (result == 1) dx_reactor_send(r, op, op->fd_, c->bytes[i], 2);
}

/* A connection was passed to this worker. */
static void crew_took(dx_reactor *r, dx_op *op, int32_t count, uint32_t flags)
{
    crew *c = (crew *)dx_reactor_op_user(op);
    size_t self = (size_t)(op - c->receiving);
    (void)flags;
    for (int32_t i = 0; i < count; i++) {
        const uint64_t *words = c->messages[self][i].words;
        dx_op *call = &c->calls[words[1]];
        dx_reactor_op_init(call, crew_asked, c);
        c->bytes[words[1]][1] = (char)('A' + self);
        dx_reactor_recv(r, call, (int)words[0], c->bytes[words[1]], 1);
    }
    if (count > 0) dx_reactor_receive(r, op, c->messages[self], 4);
}

static void crew_accepted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    crew *c = (crew *)dx_reactor_op_user(op);
    dx_reactor_message m = {{(uint64_t)result, c->accepted, 0}};
    (void)r;
    if (!(flags & DX_REACTOR_F_MORE)) return;
    dx_reactor_post(&dx_reactor_group_worker(&c->group, c->accepted++ % CREW)->reactor, &m);
}

static int crew_start(dx_reactor_worker *self)
{
    crew *c = (crew *)self->group->desc.user;
    dx_reactor *r = &self->reactor;
    dx_reactor_address any;
    int error;
    dx_reactor_op_init(&c->receiving[self->index], crew_took, c);
    error = dx_reactor_receive(r, &c->receiving[self->index], c->messages[self->index], 4);
    if (error || self->index) return error;
    dx_reactor_op_init(&c->accepting, crew_accepted, c);
    error = dx_reactor_address_parse(&any, "127.0.0.1:0");
    if (!error) error = dx_reactor_listen(r, &any, 0, 0, &c->listener, &c->at);
    return error ? error : dx_reactor_accept_multishot(r, &c->accepting, c->listener);
}

static void crew_stop(dx_reactor_worker *self)
{
    crew *c = (crew *)self->group->desc.user;
    if (self->index == 0) dx_reactor_close_fd(&self->reactor, &c->closing, c->listener);
}

static void crew_task(dx_reactor_task *task, dx_reactor_worker *self)
{
    crew *c = (crew *)task->user;
    if (self->group == &c->group) __atomic_add_fetch(&c->ran, 1, __ATOMIC_SEQ_CST);
}

static void a_group_hands_connections_on(world *w)
{
    crew *c = (crew *)calloc(1, sizeof *c);
    char text[2 * CALLS + 1] = "";
    c->desc.workers = CREW;
    c->desc.fixed = true;
    c->desc.reactor = w->desc;
    c->desc.start = crew_start;
    c->desc.stop = crew_stop;
    c->desc.user = c;
    c->desc.memory_size = dx_reactor_group_memory_size(&c->desc);
    c->desc.memory = malloc(c->desc.memory_size);
    note(w, "start:%s", error_name(dx_reactor_group_start(&c->group, &c->desc)));
    note(w, "count=%u", (unsigned)c->group.count);
    for (int i = 0; i < CALLS; i++) {
        int fd = -1;
        MUST(dx_reactor_socket(&w->r, &c->at, DX_REACTOR_NODELAY, &fd) == 0);
        keep(w, fd);
        MUST(dx_reactor_connect(&w->r, op(w, 'a'), fd, &c->at) == 0);
        MUST(ends(w, 0) == 0);
        MUST(dx_reactor_send(&w->r, op(w, 'b'), fd, &"abcdefg"[i], 1) == 0);
        MUST(ends(w, 1) == 1);
        for (int got = 0; got < 2;) {
            MUST(dx_reactor_recv(&w->r, op(w, 'c'), fd, text + 2 * i + got, 2) == 0);
            int32_t count = ends(w, 2);
            if (count <= 0) break;
            got += count;
        }
    }
    for (int i = 0; i < 30; i++) {
        c->tasks[i].fn = crew_task;
        c->tasks[i].user = c;
        MUST(dx_reactor_group_submit(&c->group, DX_REACTOR_ANY, &c->tasks[i]) == 0);
    }
    for (int i = 0; i < 2000 && __atomic_load_n(&c->ran, __ATOMIC_SEQ_CST) < 30; i++) nap(1);
    dx_reactor_group_stop(&c->group);
    note(w, "join:%s", error_name(dx_reactor_group_join(&c->group)));
    note(w, "\"%s\" answered=%u ran=%u", text, (unsigned)c->answered, (unsigned)c->ran);
    free(c->desc.memory);
    free(c);
}

static void messages_until_full(world *w)
{
    dx_reactor_message m = {{1, 2, 3}}, got[8];
    int count = 0;
    while (dx_reactor_post(&w->r, &m) == 0) count++;
    note(w, "posted=%d", count);
    MUST(dx_reactor_receive(&w->r, op(w, 'a'), got, 8) == 0);
    await(w, "a");
    MUST(dx_reactor_receive(&w->r, op(w, 'b'), got, 8) == 0);
    quiet(w);
    cancel(w, 'b');
    await(w, "b");
}

static void do_wake(world *w)
{
    dx_reactor_wake(&w->r);
}

static void woken(world *w)
{
    dx_completion done;
    helper h;
    int n = 0;
    beside(w, &h, do_wake);
    do { /* only the wake ends this wait */
        n = dx_reactor_submit_and_wait(&w->r, &done, 1, 1, DX_REACTOR_FOREVER);
    } while (n > 0);
    join(&h);
    note(w, "n=%d", n);
}

static void do_stop(world *w)
{
    dx_reactor_stop(&w->r);
}

static void stopped(world *w)
{
    helper h;
    started(w, 'a', dx_reactor_timer(&w->r, op(w, 'a'), 1000 * S));
    beside(w, &h, do_stop);
    note(w, "run:%s", error_name(dx_reactor_run(&w->r)));
    join(&h);
    cancel(w, 'a');
    await(w, "a");
}

static void try_everything(dx_reactor *r, dx_op *o, int32_t result, uint32_t flags)
{
    world *w = (world *)(void *)((char *)r - offsetof(world, r));
    dx_completion done;
    took(w, o->user_data, result, flags);
    note(w, "wait:%s", error_name(dx_reactor_wait(r, &done, 1, 0)));
    note(w, "turn:%s", error_name(dx_reactor_run_once(r, 0)));
    note(w, "run:%s", error_name(dx_reactor_run(r)));
    note(w, "close:%s", error_name(dx_reactor_close(r)));
    note(w, "timer:%s", error_name(dx_reactor_timer(r, op(w, 'b'), 1000 * S)));
    note(w, "cancel:%s", error_name(dx_reactor_cancel(r, op(w, 'b'))));
}

static void inside_a_function(world *w)
{
    op(w, 'a')->fn = try_everything;
    op(w, 'b')->fn = count_end;
    started(w, 'a', dx_reactor_timer(&w->r, op(w, 'a'), 0));
    for (int i = 0; i < 1000 && !w->ended[1]; i++) dx_reactor_run_once(&w->r, (int64_t)MS);
    await(w, "ab");
}

/* >>traces ------------------------------------------------------------- */
static void clean_up(world *w);

/* >>trust -------------------------------------------------------------- */
/* Take completions one by one and log their operations, in this order. */
static void in_order(world *w, uint32_t count)
{
    uint64_t began = dx_reactor_p_monotonic();
    while (count && dx_reactor_p_monotonic() - began < PATIENCE) {
        dx_completion done;
        if (dx_reactor_wait(&w->r, &done, 1, simulated() ? (int64_t)S : (int64_t)(50 * MS)) != 1) continue;
        took(w, done.user_data, done.result, done.flags);
        note(w, "%c%s", (int)('a' + done.user_data), (done.flags & DX_REACTOR_F_MORE) ? "+" : "");
        count--;
    }
    MUST(!count);
}

/* A deadline's completion directly follows its target's, whichever was first. */
static void deadline_behind_its_target(world *w)
{
    int a[3], b[3];
    for (int i = 0; i < 3; i++) tcp(w, &a[i], &b[i]);
    recv_on(w, 'a', b[0], 64);
    recv_on(w, 'b', b[1], 64);
    recv_on(w, 'c', b[2], 64);
    started(w, 'd', dx_reactor_deadline(&w->r, op(w, 'd'), op(w, 'a'), 2 * MS));
    started(w, 'e', dx_reactor_deadline(&w->r, op(w, 'e'), op(w, 'b'), 200 * MS));
    started(w, 'f', dx_reactor_deadline(&w->r, op(w, 'f'), op(w, 'c'), 3600 * S));
    in_order(w, 4);
    await(w, "adbe");
    cancel(w, 'c');
    in_order(w, 2);
    await(w, "cf");
}

/* The close of a number is reported before an accept that returns the number again. */
static void close_before_the_number_comes_back(world *w)
{
    int l = listening(w), first, early = 0, closed = 0;
    started(w, 'a', dx_reactor_accept_multishot(&w->r, op(w, 'a'), l));
    started(w, 'b', dx_reactor_connect(&w->r, op(w, 'b'), dialer(w), &w->at));
    await(w, "b");
    MUST(until(w, &w->more[0], 1));
    first = w->accepted[0];
    for (int round = 0; round < 8; round++) {
        const uint64_t began = dx_reactor_p_monotonic();
        int came = 0;
        started(w, 'c', dx_reactor_timer(&w->r, op(w, 'c'), 0)); /* then it is an accept's turn */
        await(w, "c");
        close_on(w, 'e', first);
        started(w, 'd', dx_reactor_connect(&w->r, op(w, 'd'), dialer(w), &w->at));
        for (closed = 0; (!came || !closed) && dx_reactor_p_monotonic() - began < PATIENCE;) {
            dx_completion done;
            if (dx_reactor_wait(&w->r, &done, 1, simulated() ? (int64_t)S : (int64_t)(50 * MS)) != 1) continue;
            took(w, done.user_data, done.result, done.flags);
            if (done.user_data == 4) closed = 1;
            if (done.user_data != 0) continue;
            came = 1;
            early += done.result == first && !closed;
            first = done.result;
        }
        w->ended[4] = 0;
        MUST(ends(w, 3) == 0);
    }
    w->used = 0;
    note(w, "early=%d", early);
}

/* A peer that reads nothing: a cancel, a deadline and a close each end a zero-copy send. */
static void zero_copy_always_ends(world *w)
{
    enum { LARGE = 8 << 20 };
    uint8_t *data = calloc(1, LARGE);
    int a[3], b[3];
    for (int i = 0; i < 3; i++) tcp(w, &a[i], &b[i]);
    for (int i = 0; i < 3; i++)
        MUST(dx_reactor_send_zero_copy(&w->r, &w->ops[i], a[i], data, LARGE) == 0);
    quiet(w);
    cancel(w, 'a');
    started(w, 'd', dx_reactor_deadline(&w->r, op(w, 'd'), op(w, 'b'), MS));
    close_on(w, 'e', a[2]);
    await(w, "abdce");
    free(data);
}

/* Opened here and used on another thread, which then owns it. */
static void used_elsewhere_body(world *w)
{
    dx_reactor_timer(&w->r, op(w, 'a'), MS);
    await(w, "a");
    stream_echo(w);
}

static void opened_here_used_elsewhere(world *w)
{
    helper h;
    world *other = (world *)calloc(1, sizeof *other);
    other->desc.descriptors_max = 16;
    open_world(other);
    beside(other, &h, used_elsewhere_body);
    join(&h);
    note(w, "%s", other->log);
    if (other->wrong) wrong(w, other->wrong);
    clean_up(other);
    free(other->sim_desc.memory);
    free(other);
}

#if !defined(_WIN32)
/* A descriptor is closed and its number reused, without telling the reactor. */
static void number_comes_back_unsaid(world *w)
{
    int a, b, fds[2];
    tcp(w, &a, &b);
    recv_on(w, 'a', b, 64);
    quiet(w);
    send_on(w, 'c', a, "old");
    await(w, "ca");
    MUST(pipe(fds) == 0);
    MUST(dup2(fds[0], b) == b); /* which closes it */
    close(fds[0]);
    started(w, 'b', dx_reactor_read(&w->r, op(w, 'b'), b, buffer(w, 'b'), 64, DX_REACTOR_NO_OFFSET));
    quiet(w);
    MUST(write(fds[1], "pipe", 4) == 4);
    await(w, "b");
    text(w, 'b');
    close(fds[1]);
}

/* Streams through a socket file: one program at a time listens on it, and leaves the file when it
   ends. */
static void unix_streams(world *w)
{
    char name[64];
    dx_reactor_address at;
    int a, b, other;
    snprintf(name, sizeof name, "unix:/tmp/dx_conform.%ld", (long)getpid());
    MUST(dx_reactor_address_parse(&at, name) == 0);
    MUST(dx_reactor_listen(&w->r, &at, 0, 0, &w->listener, &w->at) == 0);
    keep(w, w->listener);
    note(w, "second:%d", dx_reactor_listen(&w->r, &at, 0, 0, &other, NULL) == DX_REACTOR_ESYS &&
                             dx_reactor_sys_errno(&w->r) == EADDRINUSE);
    tcp(w, &a, &b);
    send_on(w, 'a', a, "hello");
    recv_on(w, 'b', b, 64);
    await(w, "ab");
    text(w, 'b');
    close_on(w, 'c', a);
    recv_on(w, 'd', b, 64);
    close_on(w, 'e', w->listener);
    await(w, "cde");
    MUST(dx_reactor_socket(&w->r, &at, 0, &a) == 0);
    keep(w, a);
    started(w, 'f', dx_reactor_connect(&w->r, op(w, 'f'), a, &at));
    await(w, "f");
    MUST(unlink(name + 5) == 0);
    MUST(dx_reactor_listen(&w->r, &at, 0, 0, &w->listener, &w->at) == 0);
    keep(w, w->listener);
    tcp(w, &a, &b);
    send_on(w, 'a', b, "again");
    recv_on(w, 'b', a, 64);
    await(w, "ab");
    text(w, 'b');
    MUST(unlink(name + 5) == 0);
}

/* A blocking pipe, as programs inherit them. */
static void inherited_pipe(world *w)
{
    int fds[2];
    MUST(pipe(fds) == 0);
    keep(w, fds[0]);
    keep(w, fds[1]);
    started(w, 'a', dx_reactor_read(&w->r, op(w, 'a'), fds[0], buffer(w, 'a'), 64, DX_REACTOR_NO_OFFSET));
    quiet(w);
    memcpy(buffer(w, 'b'), "inherited", 9);
    started(w, 'b', dx_reactor_write(&w->r, op(w, 'b'), fds[1], buffer(w, 'b'), 9, DX_REACTOR_NO_OFFSET));
    await(w, "ba");
    text(w, 'a');
    started(w, 'c', dx_reactor_read(&w->r, op(w, 'c'), fds[0], buffer(w, 'c'), 64, DX_REACTOR_NO_OFFSET));
    quiet(w);
    cancel(w, 'c');
    await(w, "c");
    started(w, 'd', dx_reactor_read(&w->r, op(w, 'd'), fds[0], buffer(w, 'd'), 4, 0));
    await(w, "d");
}
#endif

#if defined(__linux__)
/* Coalesced datagrams carry their segment size. */
static void joined_datagrams(world *w)
{
    static uint8_t bytes[2500], got[4096];
    const int one = 1, size = 1000;
    dx_reactor_address any, at;
    dx_reactor_datagram to, from;
    int receiver, sender;
    MUST(dx_reactor_address_parse(&any, "127.0.0.1:0") == 0);
    MUST(dx_reactor_bind_udp(&w->r, &any, 0, &receiver, &at) == 0);
    MUST(dx_reactor_bind_udp(&w->r, &any, 0, &sender, NULL) == 0);
    keep(w, receiver);
    keep(w, sender);
    MUST(setsockopt(receiver, IPPROTO_UDP, 104 /* UDP_GRO */, &one, sizeof one) == 0);
    MUST(setsockopt(sender, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &size, sizeof size) == 0);
    memset(&to, 0, sizeof to);
    memset(&from, 0, sizeof from);
    to.data = bytes;
    to.size = sizeof bytes;
    to.address = at;
    from.data = got;
    from.size = sizeof got;
    started(w, 'a', dx_reactor_recvfrom(&w->r, op(w, 'a'), receiver, &from));
    started(w, 'b', dx_reactor_sendto(&w->r, op(w, 'b'), sender, &to));
    await(w, "ba");
    note(w, "segment=%u", from.segment);
    to.size = 300;
    started(w, 'a', dx_reactor_recvfrom(&w->r, op(w, 'a'), receiver, &from));
    started(w, 'b', dx_reactor_sendto(&w->r, op(w, 'b'), sender, &to));
    await(w, "ba");
    note(w, "segment=%u", from.segment);
}
#endif

typedef struct trace {
    const char *name;
    void (*run)(world *w);
    const char *events;
    uint32_t    pending, descriptors, entries, completions, posts; /* of the descriptor */
} trace;

static const trace traces[] = {
    {"stream_echo", stream_echo, "a=5 b=5 \"hello\" c=6 d=6 \"world!\"", 0, 0, 0, 0, 0},
    {"recv_waits", recv_waits, "b=1 a=1", 0, 0, 0, 0, 0},
    {"small_buffers", small_buffers, "a=6 b=2 c=3 d=1 \"ab\" \"cde\" \"f\"", 0, 0, 0, 0, 0},
    {"e21_end_after_data", end_after_data, "a=4 b=0 c=4 d=0 e=0", 0, 0, 0, 0, 0},
    {"e21_half_close", half_close, "a=7 b=0 c=7 d=0 e=5 f=5 g=pipe h=0 i=0", 0, 0, 0, 0, 0},
    {"receives_keep_their_order", receives_keep_their_order,
     "d=3 a=3 e=3 b=3 f=5 c=5 \"one\" \"two\" \"three\"", 0, 0, 0, 0, 0},
    {"sends_keep_their_order", sends_keep_their_order,
     "a=4 b=4 c=6 d=0 \"one,two,three,\" f=0", 0, 0, 0, 0, 0},
    {"nothing_to_send", nothing_to_send, "a=0", 0, 0, 0, 0, 0},
    {"stream_read_and_write", stream_read_and_write, "a=6 b=6 \"stream\"", 0, 0, 0, 0, 0},
    {"offset_of_a_stream", offset_of_a_stream, "a=5 b=spipe c=spipe d=5 \"bytes\"", 0, 0, 0, 0, 0},
    {"large_transfer", large_transfer, "a=2097152 got=2097152 bad=0 sent=2097152", 0, 0, 0, 0, 0},
    {"large_transfer_without_a_copy", large_transfer_without_a_copy,
     "a=2097152 got=2097152 bad=0 sent=2097152", 0, 0, 0, 0, 0},
    {"both_directions", both_directions, "a=5 b=4 c=4 d=5", 0, 0, 0, 0, 0},
    {"many_connections", many_connections, "sum=300", 0, 0, 0, 0, 0},
    {"an_operation_is_used_again", an_operation_is_used_again, "sum=100", 0, 0, 0, 0, 0},
    {"connect_refused", connect_refused, "a=0 b=refused", 0, 0, 0, 0, 0},
    {"connected_twice", connected_twice, "a=isconn b=5 c=5", 0, 0, 0, 0, 0},
    {"accept_canceled", accept_canceled, "cancel(a):OK a=canceled b=0 accepted=1", 0, 0, 0, 0, 0},
    {"accept_many", accept_many,
     "b=0 c=0 d=0 e=0 f=0 accepted=5 cancel(a):OK a=canceled", 0, 0, 0, 0, 0},
    {"accepts_in_line", accepts_in_line, "e=0 f=0 g=0 h=0 accepted=4", 0, 0, 0, 0, 0},
    {"listener_closed", listener_closed, "a=canceled b=canceled c=0", 0, 0, 0, 0, 0},
    {"cancel_loses_no_data", cancel_loses_no_data,
     "cancel(a):OK a=canceled b=4 c=4", 0, 0, 0, 0, 0},
    {"e20_memory_is_free_after_the_end", e20_memory_is_free_after_the_end,
     "canceled=40 b=22 c=22", 0, 0, 0, 0, 0},
    {"cancel_twice", cancel_twice, "cancel(a):OK a=canceled cancel(a):ENOTFOUND", 0, 0, 0, 0, 0},
    {"cancel_of_nothing", cancel_of_nothing,
     "cancel(a):ENOTFOUND b=0 cancel(b):ENOTFOUND", 0, 0, 0, 0, 0},
    {"cancel_what_waits_behind", cancel_what_waits_behind,
     "cancel(b):OK b=canceled d=1 a=1 e=1 c=1", 0, 0, 0, 0, 0},
    {"deadline_strikes", deadline_strikes,
     "c:EINVAL a=timedout b=0 d=4 e=4 f:ENOTFOUND", 0, 0, 0, 0, 0},
    {"deadline_in_vain", deadline_in_vain, "c=4 a=4 b=canceled", 0, 0, 0, 0, 0},
    {"deadline_of_an_accept", deadline_of_an_accept, "a=timedout b=0", 0, 0, 0, 0, 0},
    {"deadline_canceled", deadline_canceled,
     "cancel(b):OK b=canceled cancel(a):OK a=canceled", 0, 0, 0, 0, 0},
    {"timers_in_order", timers_in_order, "d=0 g=0 b=0 f=0 c=0 e=0 a=0", 0, 0, 0, 0, 0},
    {"timer_canceled", timer_canceled, "cancel(a):OK a=canceled b=0", 0, 0, 0, 0, 0},
    {"timer_never_early", timer_never_early, "early=0", 0, 0, 0, 0, 0},
    {"the_clock_jumps", the_clock_jumps, "b=0 d=0 c=0 a=0 cancel(e):OK e=canceled", 0, 0, 0, 0, 0},
    {"farthest_timer", farthest_timer, "b=0 cancel(a):OK a=canceled", 0, 0, 0, 0, 0},
    {"wait_times_out", wait_times_out, "n=0", 0, 0, 0, 0, 0},
    {"at_least_three", at_least_three, "enough=1", 0, 0, 0, 0, 0},
    {"close_ends_everything", close_ends_everything,
     "a=canceled b=canceled c=0 d=badf e=0", 0, 0, 0, 0, 0},
    {"closed_twice", closed_twice, "a=canceled b=0 c=badf", 0, 0, 0, 0, 0},
    {"e20_number_comes_back", number_comes_back, "a=canceled b=0 c=0 g=3 d=3 \"new\"", 0, 0, 0, 0, 0},
    {"forgotten", forgotten, "forget:EAGAIN b=1 a=1 forget:OK d=1 c=1", 0, 0, 0, 0, 0},
    {"destroyed_with_work_pending", destroyed_with_work_pending,
     "close:OK c=canceled d=canceled f=canceled whole=0", 0, 0, 0, 0, 0},
    {"bad_descriptor", bad_descriptor,
     "a=0 b=badf c=badf d=badf e=badf f=badf g=badf h=badf i=badf j=badf k=badf l=badf "
     "m=badf", 0, 0, 0, 0, 0},
    {"wrong_descriptor", wrong_descriptor,
     "a=notsock b=notsock c=notsock d=notsock f=inval g=inval h=notconn", 0, 0, 0, 0, 0},
    {"bad_arguments", bad_arguments,
     "a:EINVAL b:EINVAL c:EINVAL d:EINVAL e:EINVAL f:EINVAL cancel(f):OK f=canceled", 0, 0, 0, 0, 0},
    {"reset_ends_a_receive", reset_ends_a_receive, "a=reset", 0, 0, 0, 0, 0},
    {"reset_in_the_middle_of_a_send", reset_in_the_middle_of_a_send,
     "a=broken b=broken partly=1", 0, 0, 0, 0, 0},
    {"reset_in_the_middle_of_a_send_without_a_copy",
     reset_in_the_middle_of_a_send_without_a_copy,
     "a=broken b=broken partly=1", 0, 0, 0, 0, 0},
    {"peer_is_closed", peer_is_closed, "a=0 b=0 broken=1", 0, 0, 0, 0, 0},
    {"too_many_operations", too_many_operations, "e:EAGAIN a=0 b=0 c=0 d=0 e=0", 4, 0, 0, 0, 0},
    {"too_many_descriptors", too_many_descriptors,
     "e=nobufs f=5 b=5 g=0 cancel(a):OK cancel(c):OK cancel(d):OK a=canceled c=canceled "
     "d=canceled h=0 i=notconn", 0, 4, 0, 0, 0},
    {"full_submission_queue", full_submission_queue, "sum=1200", 0, 0, 2, 0, 0},
    {"tiny_completion_queue", tiny_completion_queue, "sum=60", 0, 0, 4, 4, 0},
    {"no_more_descriptors", no_more_descriptors,
     "a=0 b=emfile c=emfile d=0 accepted=1", 0, 4, 0, 0, 0},
    {"poll_readable", poll_readable, "b=1 a=1 c=1 d=1 cancel(e):OK e=canceled", 0, 0, 0, 0, 0},
    {"poll_writable", poll_writable, "a=2", 0, 0, 0, 0, 0},
    {"poll_a_listener", poll_a_listener, "b=0 a=1", 0, 0, 0, 0, 0},
    {"poll_sees_the_end", poll_sees_the_end, "b=0 a=1", 0, 0, 0, 0, 0},
    {"polls_have_no_order", polls_have_no_order, "b=2 d=1 a=1 c=1", 0, 0, 0, 0, 0},
    {"file_reads_and_writes", file_reads_and_writes,
     "a=4 \"3456\" b=4 c=0 d=12 \"01234567WXYZ\" e=0 g=0", 0, 0, 0, 0, 0},
    {"files_at_once", files_at_once,
     "sum=80 \"jihgfedcbajihgfedcbajihgfedcbajihgfedcba\"", 0, 0, 0, 0, 0},
    {"file_is_closed_with_work", file_is_closed_with_work, "done=40 close=0", 0, 0, 0, 0, 0},
    {"received_into_the_pool", received_into_the_pool,
     "b=5 c=6 \"firstsecond\" d=0 a=0", 0, 0, 0, 0, 0},
    {"e13_an_empty_pool_is_no_error", e13_an_empty_pool_is_no_error,
     "n=800 bad=0 cancel(a):OK a=canceled", 0, 0, 0, 0, 0},
    {"a_pool_of_others", a_pool_of_others, "buffer=0 return:EINVAL a=badf", 0, 0, 0, 0, 0},
    {"datagrams", datagrams,
     "b=8 a=8 from=1 b=3 a=3 from=1 b=0 a=0 from=1 b=8 a=msgsize b=8 a=8 from=1 cancel(c):OK "
     "c=canceled", 0, 0, 0, 0, 0},
    {"messages_of_a_thread", messages_of_a_thread, "n=3 sum=12423", 0, 0, 0, 0, 0},
    {"a_group_hands_connections_on", a_group_hands_connections_on,
     "start:OK count=3 join:OK \"aAbBcCdAeBfCgA\" answered=7 ran=30", 0, 0, 0, 0, 0},
    {"messages_until_full", messages_until_full,
     "posted=4 a=4 cancel(b):OK b=canceled", 0, 0, 0, 0, 4},
    {"woken", woken, "n=0", 0, 0, 0, 0, 0},
    {"stopped", stopped, "run:OK cancel(a):OK a=canceled", 0, 0, 0, 0, 0},
    {"deadline_behind_its_target", deadline_behind_its_target,
     "a d b e a=timedout d=0 b=timedout e=0 cancel(c):OK c f c=canceled f=canceled", 0, 0, 0, 0, 0},
    {"close_before_the_number_comes_back", close_before_the_number_comes_back, "early=0", 0, 0, 0, 0, 0},
    {"zero_copy_always_ends", zero_copy_always_ends,
     "cancel(a):OK a=canceled b=timedout d=0 c=canceled e=0", 0, 0, 0, 0, 0},
    {"opened_here_used_elsewhere", opened_here_used_elsewhere,
     "a=0 a=5 b=5 \"hello\" c=6 d=6 \"world!\"", 0, 0, 0, 0, 0},
#if !defined(_WIN32)
    {"number_comes_back_unsaid", number_comes_back_unsaid, "c=3 a=3 b=4 \"pipe\"", 0, 0, 0, 0, 0},
    {"unix_streams", unix_streams,
     "second:1 a=5 b=5 \"hello\" c=0 d=0 e=0 f=refused a=5 b=5 \"again\"", 0, 0, 0, 0, 0},
    {"inherited_pipe", inherited_pipe,
     "b=9 a=9 \"inherited\" cancel(c):OK c=canceled d=spipe", 0, 0, 0, 0, 0},
#endif
#if defined(__linux__)
    {"joined_datagrams", joined_datagrams, "b=2500 a=2500 segment=1000 b=300 a=300 segment=0", 0, 0, 0, 0, 0},
#endif
    {"inside_a_function", inside_a_function,
     "wait:EREENTRY turn:EREENTRY run:EREENTRY close:EREENTRY timer:OK cancel:OK a=0 "
     "b=canceled", 0, 0, 0, 0, 0},
};

static void clean_up(world *w)
{
    if (!w->r.open_) {
        free(w->desc.memory);
        return;
    }
    for (int i = 0; i < OPS; i++) dx_reactor_cancel(&w->r, &w->ops[i]);
    for (int i = 0; i < w->fd_count && i < ENDS; i++)
        if (w->fds[i] >= 0 && dx_reactor_close_fd(&w->r, &w->ops[OPS - 3], w->fds[i]) == 0) {
            w->ended[OPS - 3] = 0;
            if (!until(w, &w->ended[OPS - 3], 1)) wrong(w, "a close does not end");
        }
    if (dx_reactor_close(&w->r) != 0) wrong(w, "close of the reactor");
    free(w->desc.memory);
}

/* >>random ------------------------------------------------------------- */
/* Connections whose every event a model predicts: sent bytes and waiting operations. */
enum { PAIRS = 3, STEPS = 60, WAITING = 4 };

typedef struct end {
    int      fd, waiting[WAITING], waiting_count, polling; /* operations; -1: none */
    uint32_t sizes[WAITING], unread;
    bool     shut, closed, peer_ended;
} end;

typedef struct model {
    world   *w;
    end      ends[PAIRS][2];
    uint64_t random;
} model;

static uint32_t choose(model *m, uint32_t below)
{
    return dx_test_below(&m->random, below);
}

static int free_op(const world *w)
{
    for (int i = 0; i < 40; i++)
        if (!dx_reactor_op_pending(&w->ops[i])) return i;
    return -1;
}

static void expect(model *m, int id, int32_t result, const char *what)
{
    world *w = m->w;
    int32_t got = ends(w, id);
    if (got != result) {
        printf("  %s of op %d: %s, not ", what, id, result_name(got));
        printf("%s\n", result_name(result));
        wrong(w, "not what the model says");
    }
    note(w, "%s%d=%s", what, id, result_name(got));
}

/* A receive that finds `n` bytes, which may come in pieces. */
static void expect_bytes(model *m, int id, int fd, uint32_t n)
{
    world *w = m->w;
    int32_t got = ends(w, id);
    while (got > 0 && (uint32_t)got < n) {
        if (dx_reactor_recv(&w->r, &w->ops[id], fd, w->buffers[id], n - (uint32_t)got) != 0) break;
        got += ends(w, id);
    }
    if (got != (int32_t)n) wrong(w, "bytes are missing");
    note(w, "recv%d=%d", id, (int)got);
}

static void take_waiting(end *e, int at)
{
    e->waiting_count--;
    for (; at < e->waiting_count; at++) {
        e->waiting[at] = e->waiting[at + 1];
        e->sizes[at] = e->sizes[at + 1];
    }
}

/* Complete what the state of an end allows. */
static void progress(model *m, end *e)
{
    while (e->waiting_count && e->unread) {
        uint32_t n = e->unread < e->sizes[0] ? e->unread : e->sizes[0];
        int id = e->waiting[0];
        take_waiting(e, 0);
        e->unread -= n;
        expect_bytes(m, id, e->fd, n);
    }
    while (e->waiting_count && e->peer_ended) {
        int id = e->waiting[0];
        take_waiting(e, 0);
        expect(m, id, 0, "recv");
    }
    if (e->polling >= 0 && (e->unread || e->peer_ended)) {
        int id = e->polling;
        e->polling = -1;
        if (!(ends(m->w, id) & DX_REACTOR_READABLE)) wrong(m->w, "not readable");
        note(m->w, "poll%d", id);
    }
}

static void do_recv(model *m, end *e, int id, uint32_t size)
{
    if (e->polling >= 0 || e->waiting_count == WAITING) return;
    MUST_OF(m, dx_reactor_recv(&m->w->r, &m->w->ops[id], e->fd, m->w->buffers[id], size) == 0);
    e->waiting[e->waiting_count] = id;
    e->sizes[e->waiting_count++] = size;
    progress(m, e);
}

static void do_send(model *m, end *e, end *peer, int id, uint32_t size)
{
    if (peer->closed) return; /* when the reset arrives is unpredictable */
    MUST_OF(m, dx_reactor_send(&m->w->r, &m->w->ops[id], e->fd, m->w->buffers[id], size) == 0);
    expect(m, id, e->shut ? -EPIPE : (int32_t)size, "send");
    if (e->shut) return;
    peer->unread += size;
    progress(m, peer);
}

static void do_end(model *m, end *e, end *peer, int id, bool closing)
{
    world *w = m->w;
    if (!closing && (peer->closed || e->shut)) return; /* ENOTCONN, or not */
    if (closing && (e->unread || e->polling >= 0)) return; /* unread bytes would make it a reset */
    if (closing) {
        MUST_OF(m, dx_reactor_close_fd(&w->r, &w->ops[id], e->fd) == 0);
        forget(w, e->fd);
        while (e->waiting_count) {
            int recv_id = e->waiting[0];
            take_waiting(e, 0);
            expect(m, recv_id, -ECANCELED, "recv");
        }
        e->closed = true;
    } else {
        MUST_OF(m, dx_reactor_shutdown(&w->r, &w->ops[id], e->fd) == 0);
        e->shut = true;
    }
    expect(m, id, 0, closing ? "close" : "shutdown");
    peer->peer_ended = true;
    if (!peer->closed) progress(m, peer);
}

static void do_limit(model *m, end *e, int id, uint32_t how)
{
    world *w = m->w;
    int at, target;
    if (!e->waiting_count) return;
    at = (int)choose(m, (uint32_t)e->waiting_count);
    target = e->waiting[at];
    take_waiting(e, at);
    if (how == 0) {
        int result = dx_reactor_cancel(&w->r, &w->ops[target]);
        note(w, "cancel%d:%s", target, error_name(result));
        expect(m, target, -ECANCELED, "recv");
    } else {
        MUST_OF(m, dx_reactor_deadline(&w->r, &w->ops[id], &w->ops[target], choose(m, 2) * MS) == 0);
        expect(m, target, -ETIMEDOUT, "recv");
        expect(m, id, 0, "deadline");
    }
}

static void do_poll(model *m, end *e, int id)
{
    if (e->polling >= 0 || e->waiting_count) return;
    MUST_OF(m, dx_reactor_poll(&m->w->r, &m->w->ops[id], e->fd, DX_REACTOR_READABLE) == 0);
    e->polling = id;
    progress(m, e);
}

static void random_step(model *m)
{
    uint32_t pair = choose(m, PAIRS), side = choose(m, 2), what = choose(m, 16);
    end *e = &m->ends[pair][side], *peer = &m->ends[pair][!side];
    uint32_t size = 1 + choose(m, 100);
    int id = free_op(m->w);
    if (id < 0 || e->closed) return;
    if (what < 5) {
        do_recv(m, e, id, size);
    } else if (what < 10) {
        do_send(m, e, peer, id, size);
    } else if (what == 10) {
        if (choose(m, 3) == 0) do_end(m, e, peer, id, false);
    } else if (what == 11) {
        if (choose(m, 3) == 0) do_end(m, e, peer, id, true);
    } else if (what < 14) {
        do_limit(m, e, id, what & 1);
    } else if (what == 14) {
        do_poll(m, e, id);
    } else {
        MUST_OF(m, dx_reactor_timer(&m->w->r, &m->w->ops[id], choose(m, 3) * 100000) == 0);
        expect(m, id, 0, "timer");
    }
}

static void random_trace(world *w, uint64_t seed)
{
    model m;
    memset(&m, 0, sizeof m);
    m.w = w;
    m.random = seed;
    for (int i = 0; i < PAIRS; i++) {
        tcp(w, &m.ends[i][0].fd, &m.ends[i][1].fd);
        m.ends[i][0].polling = m.ends[i][1].polling = -1;
    }
    for (int i = 0; i < STEPS && !w->wrong; i++) random_step(&m);
    quiet(w);
}

/* >>main --------------------------------------------------------------- */
static int backend_named(const char *name)
{
    static const char *names[] = {"auto", "io_uring", "epoll", "kqueue", "iocp", "simulated"};
    for (int i = 0; i < DX_REACTOR_BACKEND_COUNT; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

#if !defined(_WIN32)
static void on_alarm(int number)
{
    (void)number;
    interrupts++;
}

/* From now on a signal every 0.5 ms, or none. */
static void alarms(bool on)
{
    struct sigaction action;
    struct itimerval often = {{0, on ? 500 : 0}, {0, on ? 500 : 0}};
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}
#endif

static int failed, passed;
static FILE *output;

static void run_one(const trace *t, const char *name, uint64_t seed, const char *how)
{
    world *w = calloc(1, sizeof *w);
    const char *events = t ? t->events : NULL;
    if (t) {
        w->desc.pending_max = t->pending;
        w->desc.descriptors_max = t->descriptors ? t->descriptors : 64;
        w->desc.queue_entries = t->entries;
        w->desc.completion_entries = t->completions;
        w->desc.posts_max = t->posts;
        if (t->run == received_into_the_pool || t->run == e13_an_empty_pool_is_no_error ||
            t->run == a_pool_of_others) {
            w->desc.buffer_count = 8;
            w->desc.buffer_size = 64;
        }
        if (t->run == no_more_descriptors) w->sim_desc.open_max = 3;
    } else {
        w->desc.descriptors_max = 16;
    }
    if (simulated()) w->sim_desc.seed = seed;
    open_world(w);
    if (w->wrong && w->desc.buffer_count && backend == DX_REACTOR_BACKEND_IO_URING &&
        !system_has(backend, true)) { /* a kernel before 6.0 */
        free(w->desc.memory);
        free(w);
        return;
    }
    if (!w->wrong) {
        if (t) t->run(w);
        else random_trace(w, seed);
        quiet(w);
    }
    clean_up(w);
    free(w->sim_desc.memory);
    if (output && !*how) fprintf(output, "%s: %s\n", name, w->log);
    if (w->wrong || (events && strcmp(events, w->log) != 0)) {
        printf("FAIL %s%s: %s\n  events: %s\n  wanted: %s\n", name, how, w->wrong ? w->wrong : "",
               w->log, events ? events : "what the model says");
        failed++;
    } else {
        passed++;
    }
    fflush(stdout);
    free(w);
}

static bool applies(const trace *t)
{
#if defined(CONFORM_FAULTS) /* after an interrupted connect, it is unknown which one connected the socket */
    if (faults.rate && t->run == connected_twice) return false;
#endif
#if !defined(_WIN32)
    if (simulated() && (t->run == number_comes_back_unsaid || t->run == inherited_pipe ||
                        t->run == unix_streams))
        return false;
#endif
#if defined(__linux__)
    if (t->run == joined_datagrams) return !simulated() && system_joins_datagrams();
#endif
    if (t->run == file_reads_and_writes || t->run == files_at_once ||
        t->run == file_is_closed_with_work || t->run == wrong_descriptor ||
        t->run == a_group_hands_connections_on)
        return !simulated(); /* which has neither files nor threads */
#if defined(_WIN32)
    return t->run != no_more_descriptors || simulated(); /* Windows has no such limit */
#else
    (void)t;
    return true;
#endif
}

static void run_all(const char *how, uint64_t randoms, const char *only)
{
    char name[32];
    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++)
        if (applies(&traces[i]) && (!only || strcmp(only, traces[i].name) == 0))
            run_one(&traces[i], traces[i].name, 0, how);
    for (uint64_t i = 0; i < randoms; i++) {
        snprintf(name, sizeof name, "random_%u", (unsigned)i);
        if (!only || strcmp(only, name) == 0) run_one(NULL, name, i, how);
    }
}

int main(int count, char **arguments)
{
    dx_reactor_desc desc = {0};
    dx_reactor r;
    const char *only = count > 3 && strcmp(arguments[3], "-") != 0 ? arguments[3] : NULL;
    uint64_t randoms = count > 4 ? strtoull(arguments[4], NULL, 10) : 200;
    backend = count > 1 ? backend_named(arguments[1]) : -1;
    if (backend < 0) {
        fprintf(stderr, "usage: conform BACKEND [OUTPUT|- [TRACE|- [RANDOMS]]]\n");
        return 2;
    }
    output = count > 2 && strcmp(arguments[2], "-") != 0 ? fopen(arguments[2], "wb") : NULL;
    desc.backend = simulated() ? DX_REACTOR_BACKEND_AUTO : backend;
    desc.descriptors_max = 16;
    desc.memory_size = dx_reactor_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) {
        const bool has = system_has(backend, false);
        printf("%s %s: %s\n", has ? "FAIL refused:" : "skip", arguments[1], dx_reactor_refusal(&r, backend));
        return has ? 1 : 77;
    }
    if (backend == DX_REACTOR_BACKEND_AUTO)
        printf("granted: %s; io_uring refused: %s\n", dx_reactor_backend_name(&r),
               dx_reactor_refusal(&r, DX_REACTOR_BACKEND_IO_URING));
    dx_reactor_close(&r);
    free(desc.memory);
    run_all("", randoms, only);
#if !defined(_WIN32)
    if (!simulated()) {
        alarms(true);
        run_all(" between signals", randoms / 4, only);
        alarms(false);
    }
#endif
#if defined(DX_REACTOR_KQUEUE)
    if (backend == DX_REACTOR_BACKEND_KQUEUE) {
        /* EINTR, events for descriptors that are not ready, fewer events than there are */
        kqueue_shim_faults(12345);
        run_all(" among spurious events", randoms, only);
        kqueue_shim_faults(0);
    }
#endif
#if defined(CONFORM_FAULTS)
    for (uint64_t i = 0; i < 6; i++) {
        static const uint32_t rates[] = {300, 2000, 6000, 12000, 20000, 30000}; /* per 65536 */
        faults_begin(i + 1, rates[i]);
        faults.whole = true; /* the traces predict what a receive finds */
        run_all(" among faults of the ring", randoms, only);
        faults_end();
    }
    printf("%llu faults\n", (unsigned long long)faults_count());
#endif
    if (output) fclose(output);
    printf("%s: %d traces, %d failed, %u signals\n", arguments[1], passed + failed, failed,
           (unsigned)interrupts);
    return failed != 0;
}
