/* The libev peer of bench_reactor_peers: its header and that of libevent do not go together. */
#define _GNU_SOURCE
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int libev(int port);

static char bytes[1 << 18];

static void readable(EV_P_ ev_io *w, int events)
{
    ssize_t n = recv(w->fd, bytes, sizeof bytes, 0), done = 0;
    (void)events;
    while (n > 0 && done < n) { /* short sends: this form waits */
        ssize_t k = send(w->fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (k > 0) done += k;
        else if (errno != EAGAIN) n = -1, errno = EPIPE;
    }
    if (n > 0 || (n < 0 && errno == EAGAIN)) return;
    ev_io_stop(EV_A_ w);
    close(w->fd);
    free(w);
}

static void acceptable(EV_P_ ev_io *w, int events)
{
    int fd;
    (void)events;
    while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        ev_io *c = malloc(sizeof *c);
        ev_io_init(c, readable, fd, EV_READ);
        ev_io_start(EV_A_ c);
    }
}

int libev(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
    ev_io w;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) {
        perror("listen");
        return 1;
    }
    ev_io_init(&w, acceptable, fd, EV_READ);
    ev_io_start(loop, &w);
    ev_run(loop, 0);
    return 0;
}
