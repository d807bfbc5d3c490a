/*  Echo servers to compare with, each on one thread and the loop that its name says.

        bench_reactor_peers NAME PORT [spin]

    raw_epoll          level-triggered, accept4, one recv and one send for what is there
    raw_uring          liburing: multishot accept, multishot receive from a ring of buffers, plain sends
    raw_hbtp           raw_epoll that answers HBTP Pings: header, table of opcodes, answers in one buffer
    raw_http           raw_epoll that looks for the ends of requests and answers in one buffer
    libuv              uv_read_start into one static buffer, uv_try_write
    libuv_documented   as in its guide: malloc in alloc_cb, a malloc'ed uv_write_t, free in the callbacks
    libevent           event_new(EV_PERSIST), recv, send
    libevent_buffer    bufferevent, evbuffer_add_buffer
    libev              ev_io, recv, send
    A peer whose library was not there when this was built ends with status 3. "spin": raw_epoll only.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char shared[1 << 18];
static uint8_t answers[1 << 18];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listener(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) die("listen");
    return fd;
}

/* >>raw epoll --------------------------------------------------------------- */
typedef struct raw { /* what a full socket did not take, and a message that is not whole */
    int      fd;
    size_t   size, done, have;
    char    *rest;
    uint8_t *part;
} raw;

static void raw_close(raw *c)
{
    close(c->fd);
    free(c->rest);
    free(c->part);
    free(c);
}

/* False: the connection is gone. */
static bool raw_send(int loop, raw *c, const char *bytes, size_t size)
{
    ssize_t n = 0;
    if (!c->rest) n = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        raw_close(c);
        return false;
    }
    if (n < 0) n = 0;
    if ((size_t)n == size) return true;
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c}; /* reads no more until it is gone */
    c->rest = realloc(c->rest, c->size + size - (size_t)n);
    memcpy(c->rest + c->size, bytes + n, size - (size_t)n);
    c->size += size - (size_t)n;
    epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &e);
    return true;
}

static void raw_more(int loop, raw *c)
{
    ssize_t n = send(c->fd, c->rest + c->done, c->size - c->done, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
        raw_close(c);
        return;
    }
    c->done += (size_t)n;
    if (c->done < c->size) return;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    free(c->rest);
    c->rest = NULL;
    c->size = c->done = 0;
    epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &e);
}

typedef size_t answer_fn(const uint8_t *in, size_t size, size_t *used); /* into answers[] */

static size_t hbtp_ping(const uint8_t *in, uint32_t length, uint8_t *out)
{
    memcpy(out, in, 8 + (size_t)length);
    out[0] = 1;
    return 8 + (size_t)length;
}
static size_t hbtp_none(const uint8_t *in, uint32_t length, uint8_t *out)
{
    (void)in, (void)length, (void)out;
    return 0;
}
static size_t (*hbtp_table[256])(const uint8_t *, uint32_t, uint8_t *);

static size_t answer_hbtp(const uint8_t *in, size_t size, size_t *used)
{
    size_t made = 0, at = 0;
    while (size - at >= 8) {
        uint32_t length = in[at + 4] | (uint32_t)in[at + 5] << 8 | (uint32_t)in[at + 6] << 16 | (uint32_t)in[at + 7] << 24;
        if (length > 65536 || size - at < 8 + (size_t)length) break;
        made += hbtp_table[in[at]](in + at, length, answers + made);
        at += 8 + (size_t)length;
    }
    *used = at;
    return made;
}

static size_t answer_http(const uint8_t *in, size_t size, size_t *used)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const uint8_t *p = in, *end = in + size, *next;
    size_t made = 0;
    while ((next = memmem(p, (size_t)(end - p), "\r\n\r\n", 4)) && made + sizeof text <= sizeof answers) {
        memcpy(answers + made, text, sizeof text - 1);
        made += sizeof text - 1;
        p = next + 4;
    }
    *used = (size_t)(p - in);
    return made;
}

static void raw_read(int loop, raw *c, answer_fn *answer)
{
    size_t used, made;
    if (c->have) memcpy(shared, c->part, c->have);
    ssize_t n = recv(c->fd, shared + c->have, sizeof shared - c->have, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) raw_close(c);
        return;
    }
    if (!answer) {
        raw_send(loop, c, shared, (size_t)n);
        return;
    }
    n += (ssize_t)c->have;
    c->have = 0;
    made = answer((const uint8_t *)shared, (size_t)n, &used);
    if ((size_t)n > used) {
        if (!c->part) c->part = malloc(sizeof shared);
        c->have = (size_t)n - used;
        memcpy(c->part, shared + used, c->have);
    }
    if (made) raw_send(loop, c, (const char *)answers, made);
}

static void raw_epoll(int port, bool spin, answer_fn *answer)
{
    struct epoll_event events[256], e = {.events = EPOLLIN};
    int loop = epoll_create1(0), fd = listener(port), i;
    for (i = 0; i < 256; i++) hbtp_table[i] = hbtp_none;
    hbtp_table[0] = hbtp_ping;
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
    for (;;) {
        int n = epoll_wait(loop, events, 256, spin ? 0 : -1);
        for (i = 0; i < n; i++) {
            raw *c = events[i].data.ptr;
            int taken;
            if (c && c->rest) raw_more(loop, c);
            else if (c) raw_read(loop, c, answer);
            while (!c && (taken = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                c = calloc(1, sizeof *c);
                c->fd = taken;
                e.events = EPOLLIN;
                e.data.ptr = c;
                epoll_ctl(loop, EPOLL_CTL_ADD, taken, &e);
                c = NULL;
            }
        }
    }
}

/* >>raw io_uring ------------------------------------------------------------ */
#ifdef HAVE_URING
#include <liburing.h>
enum { BUFFERS = 1024, BUFFER_SIZE = 16384, MAX_FDS = 65536 };
static struct io_uring ring;
static struct io_uring_buf_ring *ring_buffers;
static char (*pool)[BUFFER_SIZE];
static struct { uint32_t done[BUFFERS], size[BUFFERS]; } under_way;
static struct { int32_t first, last; } outputs[MAX_FDS]; /* one send at a time: buffers in order */
static int32_t following[BUFFERS];

static struct io_uring_sqe *entry(uint64_t kind, int fd, uint64_t buffer)
{
    struct io_uring_sqe *s = io_uring_get_sqe(&ring);
    if (!s) {
        io_uring_submit(&ring);
        s = io_uring_get_sqe(&ring);
    }
    s->user_data = kind << 56 | (uint64_t)(uint32_t)fd << 16 | buffer;
    return s;
}
static void arm(struct io_uring_sqe *s, int fd)
{
    uint64_t data = s->user_data;
    io_uring_prep_recv_multishot(s, fd, NULL, 0, 0);
    s->flags |= IOSQE_BUFFER_SELECT;
    s->buf_group = 0;
    s->user_data = data;
}
static void uring_send(int fd)
{
    int32_t b = outputs[fd].first - 1;
    struct io_uring_sqe *s = entry(3, fd, (uint64_t)b);
    uint64_t data = s->user_data;
    io_uring_prep_send(s, fd, pool[b] + under_way.done[b], under_way.size[b] - under_way.done[b], MSG_NOSIGNAL | MSG_WAITALL);
    s->user_data = data;
}
static void give_back(int b)
{
    io_uring_buf_ring_add(ring_buffers, pool[b], BUFFER_SIZE, (unsigned short)b, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(ring_buffers, 1);
}
static void uring_received(struct io_uring_cqe *q, int fd)
{
    if (q->res <= 0) {
        if (q->res == -ENOBUFS) {
            arm(entry(2, fd, 0), fd);
        } else {
            shutdown(fd, SHUT_RDWR);
            if (!outputs[fd].first) close(fd);
            else outputs[fd].last = -1; /* closes after the last send */
        }
        return;
    }
    int b = (int)(q->flags >> IORING_CQE_BUFFER_SHIFT);
    under_way.done[b] = 0;
    under_way.size[b] = (uint32_t)q->res;
    following[b] = 0;
    if (!outputs[fd].first) {
        outputs[fd].first = outputs[fd].last = b + 1;
        uring_send(fd);
    } else {
        following[outputs[fd].last - 1] = b + 1;
        outputs[fd].last = b + 1;
    }
    if (!(q->flags & IORING_CQE_F_MORE)) arm(entry(2, fd, 0), fd);
}
static void uring_sent(struct io_uring_cqe *q, int fd, int b)
{
    if (q->res > 0) under_way.done[b] += (uint32_t)q->res;
    if (q->res > 0 && under_way.done[b] < under_way.size[b]) {
        uring_send(fd);
        return;
    }
    give_back(b);
    outputs[fd].first = following[b];
    if (outputs[fd].first && outputs[fd].last >= 0 && q->res > 0) {
        uring_send(fd);
        return;
    }
    while (outputs[fd].first) { /* an error: drop the rest */
        b = outputs[fd].first - 1;
        outputs[fd].first = following[b];
        give_back(b);
    }
    if (outputs[fd].last < 0) {
        outputs[fd].last = 0;
        close(fd);
    }
}
static void raw_uring(int port)
{
    struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                .cq_entries = 8192};
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    int fd = listener(port), i;
    if (io_uring_queue_init_params(1024, &ring, &p)) die("io_uring_queue_init_params");
    if (posix_memalign((void **)&ring_buffers, 4096, BUFFERS * sizeof(struct io_uring_buf))) die("memory");
    reg.ring_addr = (uintptr_t)ring_buffers;
    io_uring_buf_ring_init(ring_buffers);
    if (io_uring_register_buf_ring(&ring, &reg, 0)) die("io_uring_register_buf_ring");
    pool = malloc((size_t)BUFFERS * BUFFER_SIZE);
    for (i = 0; i < BUFFERS; i++) give_back(i);
    struct io_uring_sqe *s = entry(1, fd, 0);
    uint64_t data = s->user_data;
    io_uring_prep_multishot_accept(s, fd, NULL, NULL, 0);
    s->user_data = data;
    for (;;) {
        struct io_uring_cqe *q;
        unsigned head, n = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, q) {
            int of = (int)(uint32_t)(q->user_data >> 16), kind = (int)(q->user_data >> 56);
            n++;
            if (kind == 1 && q->res >= 0 && q->res < MAX_FDS) arm(entry(2, q->res, 0), q->res);
            else if (kind == 2) uring_received(q, of);
            else if (kind == 3) uring_sent(q, of, (int)(q->user_data & 0xffff));
        }
        io_uring_cq_advance(&ring, n);
    }
}
#endif

/* >>libuv ------------------------------------------------------------------- */
#ifdef HAVE_UV
#include <uv.h>
static bool documented;
static void uv_closed(uv_handle_t *h) { free(h); }
static void uv_allocate(uv_handle_t *h, size_t size, uv_buf_t *b)
{
    (void)h;
    *b = documented ? uv_buf_init(malloc(size), (unsigned)size) : uv_buf_init(shared, sizeof shared);
}
typedef struct write_request {
    uv_write_t request;
    uv_buf_t buffer;
} write_request;
static void uv_written(uv_write_t *w, int status)
{
    (void)status;
    free(((write_request *)w)->buffer.base);
    free(w);
}
static void uv_got(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    if (n < 0) {
        uv_close((uv_handle_t *)s, uv_closed);
    } else if (n > 0) {
        uv_buf_t out = uv_buf_init(b->base, (unsigned)n);
        int done = documented ? 0 : uv_try_write(s, &out, 1);
        if (done < 0) done = 0;
        if (done < n) {
            write_request *w = malloc(sizeof *w);
            w->buffer = out;
            if (!documented) {
                w->buffer = uv_buf_init(malloc((size_t)(n - done)), (unsigned)(n - done));
                memcpy(w->buffer.base, out.base + done, (size_t)(n - done));
            }
            uv_write(&w->request, s, &w->buffer, 1, uv_written);
            if (documented) return;
        }
    }
    if (documented) free(b->base);
}
static void uv_accepted(uv_stream_t *server, int status)
{
    uv_tcp_t *c = malloc(sizeof *c);
    if (status) return;
    uv_tcp_init(server->loop, c);
    if (uv_accept(server, (uv_stream_t *)c)) uv_close((uv_handle_t *)c, uv_closed);
    else {
        uv_tcp_nodelay(c, 1);
        uv_read_start((uv_stream_t *)c, uv_allocate, uv_got);
    }
}
static int libuv(int port, bool as_documented)
{
    uv_tcp_t server;
    struct sockaddr_in a;
    documented = as_documented;
    uv_tcp_init(uv_default_loop(), &server);
    uv_ip4_addr("0.0.0.0", port, &a);
    if (uv_tcp_bind(&server, (const struct sockaddr *)&a, 0) || uv_listen((uv_stream_t *)&server, 4096, uv_accepted)) die("uv_listen");
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
#endif

/* >>libevent ---------------------------------------------------------------- */
#ifdef HAVE_EVENT
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
static struct event_base *base;
static bool buffered;
static void event_closed(struct bufferevent *b, short what, void *user)
{
    (void)user;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(b);
}
static void event_buffer(struct bufferevent *b, void *user)
{
    (void)user;
    evbuffer_add_buffer(bufferevent_get_output(b), bufferevent_get_input(b));
}
static void event_read(evutil_socket_t fd, short what, void *user)
{
    struct event *e = *(struct event **)user;
    ssize_t n = recv(fd, shared, sizeof shared, 0), done = 0;
    (void)what;
    while (n > 0 && done < n) { /* short sends: the plain form waits */
        ssize_t k = send(fd, shared + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (k > 0) done += k;
        else if (errno != EAGAIN) n = -1, errno = EPIPE;
    }
    if (n > 0 || (n < 0 && errno == EAGAIN)) return;
    event_free(e);
    free(user);
    close(fd);
}
static void event_accept(evutil_socket_t fd, short what, void *user)
{
    int taken;
    (void)what, (void)user;
    while ((taken = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (buffered) {
            struct bufferevent *b = bufferevent_socket_new(base, taken, BEV_OPT_CLOSE_ON_FREE);
            bufferevent_setcb(b, event_buffer, NULL, event_closed, NULL);
            bufferevent_enable(b, EV_READ | EV_WRITE);
        } else {
            struct event **e = malloc(sizeof *e);
            *e = event_new(base, taken, EV_READ | EV_PERSIST, event_read, e);
            event_add(*e, NULL);
        }
    }
}
static int libevent(int port, bool as_buffer)
{
    buffered = as_buffer;
    base = event_base_new();
    event_add(event_new(base, listener(port), EV_READ | EV_PERSIST, event_accept, NULL), NULL);
    return event_base_dispatch(base);
}
#endif

/* >>libev ------------------------------------------------------------------- */
#ifdef HAVE_EV
int libev(int port);
#endif

int main(int argc, char **argv)
{
    const char *name = argc >= 3 ? argv[1] : "";
    int port = argc >= 3 ? atoi(argv[2]) : 0;
    bool spin = argc > 3 && !strcmp(argv[3], "spin");
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(name, "raw_epoll")) raw_epoll(port, spin, NULL);
    else if (!strcmp(name, "raw_hbtp")) raw_epoll(port, spin, answer_hbtp);
    else if (!strcmp(name, "raw_http")) raw_epoll(port, spin, answer_http);
#ifdef HAVE_URING
    else if (!strcmp(name, "raw_uring")) raw_uring(port);
#endif
#ifdef HAVE_UV
    else if (!strcmp(name, "libuv")) return libuv(port, false);
    else if (!strcmp(name, "libuv_documented")) return libuv(port, true);
#endif
#ifdef HAVE_EVENT
    else if (!strcmp(name, "libevent")) return libevent(port, false);
    else if (!strcmp(name, "libevent_buffer")) return libevent(port, true);
#endif
#ifdef HAVE_EV
    else if (!strcmp(name, "libev")) return libev(port);
#endif
    else {
        fprintf(stderr, "usage: bench_reactor_peers NAME PORT [spin]; '%s' is not in this build\n", name);
        return 3;
    }
    return 0;
}
