/* Metrics over HTTP. See scrape.h. */
#include "scrape.h"

#if !defined(_WIN32)
#include "http.h"
#include "options.h"

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

enum { HOST_MAX = 256, WHAT_MAX = PROG_PATH_SIZE_MAX + 120, WAITING_MAX = 16 };
#define REQUEST_NS INT64_C(2000000000)
#define ANSWER_NS INT64_C(100000000) /* more, for a request that came too late */
#define RETRY_NS INT64_C(100000000) /* after a failed accept: no descriptor is free */

struct prog_scrape {
    int        listener;
    int        wake[2]; /* a pipe: its end stops the thread */
    pthread_t  thread;
    void     (*put)(void *user, prog_line *l);
    void      *user;
};

/* >>http --------------------------------------------------------------- */
/* Wait until the descriptor is ready, or the time is over, or the thread must end. */
static bool wait_until(const prog_scrape *m, int fd, short events, int64_t until_ns)
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
static int read_request(const prog_scrape *m, int fd, uint8_t request[HTTP_HEAD_MAX],
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

static void write_all(const prog_scrape *m, int fd, const char *bytes, size_t size, int64_t until_ns)
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

static void answer(prog_scrape *m, int fd)
{
    const int64_t until_ns = prog_now_ns() + REQUEST_NS;
    uint8_t request[HTTP_HEAD_MAX];
    char head[300];
    http_request q;
    prog_line body;
    int status = read_request(m, fd, request, &q, until_ns);
    if (status == 200 && !is_of_metrics(request, &q)) status = 404;
    prog_line_begin(&body);
    if (status == 200) m->put(m->user, &body);
    else prog_line_put_text(&body, "GET /metrics has the metrics\n");
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\n"
             "Content-Length: %zu\r\nConnection: close\r\n\r\n", status_text(status), body.size);
    write_all(m, fd, head, strlen(head), until_ns + ANSWER_NS);
    if (!q.head) write_all(m, fd, body.bytes, body.size, until_ns + ANSWER_NS);
    prog_line_free(&body);
}

static void *serve(void *user)
{
    prog_scrape *m = user;
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
/* Bind a socket. Returns the descriptor; -1: errno. */
static int bind_to(const char *address, const struct addrinfo *a)
{
    const int yes = 1, no = 0;
    const int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (*address == ':' && a->ai_family == AF_INET6) /* IPv4, too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (!bind(fd, a->ai_addr, a->ai_addrlen)) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Split "HOST:PORT". Returns a status with a message. */
static int split(const char *what, const char *address, char host[HOST_MAX], bool *any)
{
    uint64_t number = 0;
    char port[WHAT_MAX];
    const char *colon = strrchr(address, ':');
    const size_t size = colon ? (size_t)(colon - address) : 0;
    const bool brackets = size > 2 && address[0] == '[' && address[size - 1] == ']';
    if (!colon || size >= HOST_MAX || (!brackets && memchr(address, ':', size)))
        return prog_fail(PROG_USAGE, "%s: '%s' is not HOST:PORT or :PORT", what, address);
    (void)snprintf(port, sizeof port, "%s: the port", what);
    if (prog_parse_number(port, colon + 1, 1, 65535, &number)) return PROG_USAGE;
    memcpy(host, address + brackets, size - 2 * brackets);
    host[size - 2 * brackets] = 0;
    *any = !size || brackets;
    return PROG_OK;
}

/* The address that a socket was bound to, or that is in use. */
typedef struct place {
    uint8_t  bytes[PROG_SCRAPE_ADDRESS_SIZE_MAX];
    uint32_t size; /* 0: none */
} place;

/* Bind a socket to an address of the text. used: one that is in use is no error, and is stored there; then *fd is -1. */
static int bind_text(const char *what, const char *address, place *used, int *fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char host[HOST_MAX];
    bool any;
    int error = 0;
    int status = split(what, address, host, &any);
    *fd = -1;
    if (status) return status;
    /* All addresses; a name such as localhost has both kinds: the older. */
    const int families[] = {any ? AF_INET6 : AF_INET, any ? AF_INET : AF_INET6};
    status = PROG_USAGE;
    for (int i = 0; *fd < 0 && i < 2; i++) {
        struct addrinfo *list = NULL;
        hints.ai_family = families[i];
        if (getaddrinfo(*host ? host : NULL, strrchr(address, ':') + 1, &hints, &list)) continue;
        status = PROG_SYSTEM;
        *fd = bind_to(address, list);
        error = errno;
        if (used && !used->size && (*fd >= 0 || error == EADDRINUSE)) {
            assert(list->ai_addrlen <= sizeof used->bytes);
            memcpy(used->bytes, list->ai_addr, list->ai_addrlen);
            used->size = (uint32_t)list->ai_addrlen;
        }
        freeaddrinfo(list);
    }
    if (*fd >= 0 || (used && error == EADDRINUSE)) return PROG_OK;
    if (status == PROG_USAGE)
        return prog_fail(PROG_USAGE, "%s: '%s' is no address, and no name of one", what, host);
    errno = error;
    (void)prog_fail_errno("%s: %s", what, address);
    return PROG_SYSTEM;
}

int prog_scrape_check(const char *what, const char *address, uint8_t at[PROG_SCRAPE_ADDRESS_SIZE_MAX], uint32_t *size)
{
    place used = {.size = 0};
    int fd;
    const int status = bind_text(what, address, &used, &fd);
    if (fd >= 0) close(fd);
    memcpy(at, used.bytes, used.size);
    *size = used.size;
    return status;
}

/* No signal is handled by the thread: their handlers wake the main one. */
static int start_thread(prog_scrape *m)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&m->thread, NULL, serve, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int prog_scrape_open(prog_scrape **out, const char *what, const char *address,
                     void (*put)(void *user, prog_line *l), void *user)
{
    int listener;
    const int status = bind_text(what, address, NULL, &listener);
    if (status) return status;
    if (listen(listener, WAITING_MAX)) {
        (void)prog_fail_errno("%s: %s", what, address);
        close(listener);
        return PROG_SYSTEM;
    }
    prog_scrape *m = prog_alloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->listener = listener;
    m->put = put;
    m->user = user;
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
    free(m);
    return prog_fail(PROG_SYSTEM, "%s: no thread can be started", what);
}

void prog_scrape_close(prog_scrape *m)
{
    if (!m) return;
    close(m->wake[1]);
    pthread_join(m->thread, NULL);
    close(m->wake[0]);
    close(m->listener);
    free(m);
}
#endif
