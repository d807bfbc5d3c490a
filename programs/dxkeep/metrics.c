/* Metrics over HTTP. See metrics.h. One thread answers one request at a time, each within
   REQUEST_NS, so that a capture does not delay it and a slow client delays only other clients. */
#include "metrics.h"

#include "../common/http.h"
#include "../common/line.h"

#include "../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 64, WAITING_MAX = 16 };
#define REQUEST_NS INT64_C(2000000000)
#define ANSWER_NS INT64_C(100000000) /* more, for a request that came too late */
#define RETRY_NS INT64_C(100000000) /* after a failed accept: no descriptor is free */

typedef struct numbers {
    uint64_t     captures, failed, capture_ns;
    uint64_t     recoveries, recoveries_failed, recovery_ns;
    uint64_t     grown, store_size, files;
    keep_counted counted;
} numbers;

struct keep_metrics {
    int             listener;
    int             wake[2]; /* a pipe: its end stops the thread */
    pthread_t       thread;
    pthread_mutex_t lock;
    numbers         now;     /* guarded by the lock */
};

/* >>text --------------------------------------------------------------- */
static void put(prog_line *l, const char *name, const char *kind, const char *help, double value)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s %s\ndiffkeeper_%s %.17g\n",
             name, help, name, kind, name, value);
    prog_line_put_text(l, text);
}

static void put_duration(prog_line *l, const char *name, const char *help, uint64_t total_ns,
                         uint64_t count)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s summary\n"
             "diffkeeper_%s_sum %.9f\ndiffkeeper_%s_count %llu\n", name, help, name, name,
             (double)total_ns / 1e9, name, (unsigned long long)count);
    prog_line_put_text(l, text);
}

static void put_results(prog_line *l, const char *name, const char *help, uint64_t good,
                        uint64_t failed)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP diffkeeper_%s %s\n# TYPE diffkeeper_%s counter\n"
             "diffkeeper_%s{result=\"success\"} %llu\ndiffkeeper_%s{result=\"failure\"} %llu\n", name,
             help, name, name, (unsigned long long)good, name, (unsigned long long)failed);
    prog_line_put_text(l, text);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void put_info(prog_line *l)
{
    char text[200];
    const uint32_t v = DX_CAS_VERSION;
    put(l, "up", "gauge", "1 while dxkeep runs.", 1);
    snprintf(text, sizeof text, "# HELP diffkeeper_agent_info The program.\n"
             "# TYPE diffkeeper_agent_info gauge\n"
             "diffkeeper_agent_info{agent=\"dxkeep\",version=\"%u.%u.%u\"} 1\n", (unsigned)(v >> 16),
             (unsigned)(v >> 8 & 0xff), (unsigned)(v & 0xff));
    prog_line_put_text(l, text);
}

static void put_all(prog_line *l, const numbers *n)
{
    const keep_counted *c = &n->counted;
    const uint64_t saved = c->bytes > n->grown ? c->bytes - n->grown : 0;
    put_info(l);
    put_results(l, "capture_total", "Captures.", n->captures - n->failed, n->failed);
    put_duration(l, "capture_duration_seconds", "Duration of captures.", n->capture_ns, n->captures);
    put_results(l, "recovery_total", "Restores of the directory.",
                n->recoveries - n->recoveries_failed, n->recoveries_failed);
    put_duration(l, "recovery_duration_seconds", "Duration of restores.", n->recovery_ns,
                 n->recoveries);
    put(l, "storage_saved_bytes", "gauge",
        "Bytes of files that captures read, less those by which the store grew.", (double)saved);
    put(l, "storage_saved_ratio", "gauge", "The same as a fraction of the bytes read.",
        ratio(saved, c->bytes));
    put(l, "store_size_bytes", "gauge", "Size of the store.", (double)n->store_size);
    put(l, "files_tracked", "gauge", "Files that the last full scan found.", (double)n->files);
    put(l, "chunk_total", "counter", "Chunks that files were cut into.", (double)c->chunks);
    put(l, "chunk_dedup_ratio", "gauge", "Fraction of them that the store had.",
        ratio(c->known_chunks, c->chunks));
    put_duration(l, "chunk_duration_seconds", "Duration of reading, cutting and storing.",
                 c->taken_ns, c->reads);
    put(l, "large_files_total", "counter", "Files read that are larger than a chunk.",
        (double)c->large_files);
    put(l, "deltas_total", "counter", "Objects stored as deltas.", (double)c->deltas);
}

/* >>http --------------------------------------------------------------- */
/* Wait until the descriptor is ready, or the time is over, or the thread must end. */
static bool wait_until(const keep_metrics *m, int fd, short events, int64_t until_ns)
{
    struct pollfd polls[2] = {{.fd = m->wake[0], .events = POLLIN}, {.fd = fd, .events = events}};
    for (;;) {
        const int64_t left = until_ns - prog_now_ns();
        if (left <= 0) return false;
        const int n = poll(polls, 2, (int)(left / 1000000) + 1);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) return !polls[0].revents;
    }
}

/* Read the head of a request. Returns its status: 200, or why it is refused. */
static int read_request(const keep_metrics *m, int fd, uint8_t request[HTTP_HEAD_MAX],
                        http_request *q, int64_t until_ns)
{
    size_t size = 0;
    *q = (http_request){.status = 408};
    while (wait_until(m, fd, POLLIN, until_ns)) {
        const ssize_t n = recv(fd, request + size, HTTP_HEAD_MAX - size, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) return 400;
        size += (size_t)n;
        if (http_parse(request, size, q)) return q->status;
    }
    return 408;
}

static void write_all(const keep_metrics *m, int fd, const char *bytes, size_t size, int64_t until_ns)
{
    while (size && wait_until(m, fd, POLLOUT, until_ns)) {
        const ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return;
        if (n <= 0) continue;
        bytes += n;
        size -= (size_t)n;
    }
}

static const char *status_text(int status)
{
    switch (status) {
    case 200: return "200 OK";
    case 404: return "404 Not Found";
    case 405: return "405 Method Not Allowed\r\nAllow: GET, HEAD";
    case 408: return "408 Request Timeout";
    case 413: return "413 Content Too Large";
    case 431: return "431 Request Header Fields Too Large";
    case 501: return "501 Not Implemented";
    case 505: return "505 HTTP Version Not Supported";
    default:  return "400 Bad Request";
    }
}

/* Does an accepted request ask for the metrics, with or without a query? */
static bool is_of_metrics(const uint8_t *request, const http_request *q)
{
    static const char path[] = "/metrics";
    const char *target = (const char *)request + (q->head ? 5 : 4);
    return !strncmp(target, path, sizeof path - 1) && strchr("? ", target[sizeof path - 1]) != NULL;
}

static void answer(keep_metrics *m, int fd)
{
    const int64_t until_ns = prog_now_ns() + REQUEST_NS;
    uint8_t request[HTTP_HEAD_MAX];
    char head[300];
    http_request q;
    prog_line body;
    int status = read_request(m, fd, request, &q, until_ns);
    if (status == 200 && !is_of_metrics(request, &q)) status = 404;
    prog_line_begin(&body);
    if (status == 200) {
        pthread_mutex_lock(&m->lock);
        const numbers now = m->now;
        pthread_mutex_unlock(&m->lock);
        put_all(&body, &now);
    } else {
        prog_line_put_text(&body, "GET /metrics has the metrics\n");
    }
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\n"
             "Content-Length: %zu\r\nConnection: close\r\n\r\n", status_text(status), body.size);
    write_all(m, fd, head, strlen(head), until_ns + ANSWER_NS);
    if (!q.head) write_all(m, fd, body.bytes, body.size, until_ns + ANSWER_NS);
    prog_line_free(&body);
}

static void *serve(void *user)
{
    keep_metrics *m = user;
    struct pollfd polls[2] = {{.fd = m->wake[0], .events = POLLIN}, {.fd = m->listener, .events = POLLIN}};
    while (poll(polls, 2, -1) >= 0 || errno == EINTR) {
        if (polls[0].revents) break;
        const int fd = accept(m->listener, NULL, NULL);
        if (fd < 0) { /* the client is gone, or no descriptor is free */
            if (poll(polls, 1, (int)(RETRY_NS / 1000000)) > 0) break;
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        answer(m, fd);
        close(fd);
    }
    return NULL;
}

/* >>listen ------------------------------------------------------------- */
static int listen_on(const char *address, const struct addrinfo *a)
{
    const int yes = 1, no = 0;
    const int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (*address == ':' && a->ai_family == AF_INET6) /* IPv4, too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, WAITING_MAX)) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Returns the descriptor; -1, with a message. */
static int open_listener(const char *address, int *status)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char host[HOST_MAX];
    uint64_t port = 0;
    const char *colon = strrchr(address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    const bool brackets = size > 2 && address[0] == '[' && address[size - 1] == ']';
    *status = PROG_USAGE;
    if (!colon || size >= HOST_MAX || (!brackets && memchr(address, ':', size)))
        return prog_fail(-1, "--metrics-addr: '%s' is not HOST:PORT or :PORT", address);
    if (prog_parse_number("--metrics-addr: the port", colon + 1, 1, 65535, &port)) return -1;
    memcpy(host, address + brackets, size - 2 * brackets);
    host[size - 2 * brackets] = 0;
    int fd = -1;
    static const int families[] = {AF_INET6, AF_INET};
    for (int i = 0; fd < 0 && i < 2; i++) {
        hints.ai_family = families[i];
        const int error = getaddrinfo(size ? host : NULL, colon + 1, &hints, &list);
        if (error) continue;
        *status = PROG_SYSTEM;
        fd = listen_on(address, list);
        freeaddrinfo(list);
    }
    if (fd >= 0) return fd;
    if (*status == PROG_USAGE)
        return prog_fail(-1, "--metrics-addr: '%s' is not a numeric address", host);
    (void)prog_fail_errno("--metrics-addr: %s", address);
    return -1;
}

/* No signal is handled by the thread: their handlers wake the main one. */
static int start_thread(keep_metrics *m)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&m->thread, NULL, serve, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int keep_metrics_open(keep_metrics **out, const char *address)
{
    int status;
    const int listener = open_listener(address, &status);
    if (listener < 0) return status;
    keep_metrics *m = prog_alloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->listener = listener;
    pthread_mutex_init(&m->lock, NULL);
    bool good = pipe(m->wake) == 0;
    if (good) {
        fcntl(m->wake[0], F_SETFD, FD_CLOEXEC);
        fcntl(m->wake[1], F_SETFD, FD_CLOEXEC);
        good = !start_thread(m);
        if (!good) {
            close(m->wake[0]);
            close(m->wake[1]);
        }
    }
    if (good) {
        *out = m;
        return PROG_OK;
    }
    close(listener);
    pthread_mutex_destroy(&m->lock);
    free(m);
    return prog_fail(PROG_SYSTEM, "--metrics-addr: no thread can be started");
}

void keep_metrics_close(keep_metrics *m)
{
    if (!m) return;
    close(m->wake[1]);
    pthread_join(m->thread, NULL);
    close(m->wake[0]);
    close(m->listener);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* >>counts ------------------------------------------------------------- */
void keep_metrics_captured(keep_metrics *m, const keep_capture *c, int64_t began_ns, bool failed)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->now.captures++;
    m->now.failed += failed;
    m->now.capture_ns += (uint64_t)(prog_now_ns() - began_ns);
    m->now.counted = c->counted;
    if (!failed) m->now.grown += c->grown;
    if (c->store) m->now.store_size = versions_store_size(c->store);
    m->now.files = c->files;
    pthread_mutex_unlock(&m->lock);
}

void keep_metrics_restored(keep_metrics *m, int64_t began_ns, bool failed)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->now.recoveries++;
    m->now.recoveries_failed += failed;
    m->now.recovery_ns += (uint64_t)(prog_now_ns() - began_ns);
    pthread_mutex_unlock(&m->lock);
}
