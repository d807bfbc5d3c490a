/* Shared by the tests of dx_reactor.h: loops that are closed after a failed test, sockets, and EVERY,
   which runs a test on every backend. Include after dx_reactor.h and dx_test.h. With REACTOR_KIT_SYSTEM
   defined: only the questions about the system, for programs without the tests' main. */
/* >>system ------------------------------------------------------------- */
#if defined(__linux__)
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Does this kernel support io_uring as of 5.7, and may this process use it? pool: receives into
   kernel-selected buffers, 6.0. This asks the kernel by number, independently of dx_reactor.h: a reactor
   that wrongly refuses a backend must not look like a system without it. The ring has as many entries as
   most tests use, so that a locked-memory limit makes no difference. */
static inline bool system_has_io_uring(bool pool)
{
    enum { SETUP = 425, ENTER = 426, REGISTER = 427, REGISTER_PROBE = 8, ENTRIES = 256 };
    enum { FAST_POLL = 1 << 5, SEND_ZC = 47, KNOWN = 1, HEAD = 8, EACH = 4, FLAGS = 1, OPCODES = 64 };
    uint32_t parameters[30] = {0}; /* index 5: features */
    uint16_t probe[HEAD + EACH * OPCODES] = {0};
    const int ring = (int)(syscall)(SETUP, (long)ENTRIES, parameters);
    bool has = ring >= 0 && (parameters[5] & FAST_POLL) && (syscall)(ENTER, (long)ring, 0L, 0L, 0L, NULL, 0L) == 0;
    if (has && pool)
        has = (syscall)(REGISTER, (long)ring, (long)REGISTER_PROBE, probe, (long)OPCODES) == 0 &&
              (probe[HEAD + EACH * SEND_ZC + FLAGS] & KNOWN);
    if (ring >= 0) close(ring);
    return has;
}

static inline bool system_has_epoll(void)
{
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* Do plain sockets receive coalesced datagrams (UDP_GRO) in one piece, with the segment size? Linux 5.10
   splits them on loopback; an emulator may pass the size in the host's byte order. */
static inline bool system_joins_datagrams(void)
{
    enum { PART = 1000, UDP_SEGMENT_OPTION = 103, UDP_GRO_OPTION = 104 };
    struct sockaddr_in at;
    struct iovec piece;
    struct msghdr m;
    struct cmsghdr *c;
    socklen_t at_size = sizeof at;
    const int one = 1;
    const int part = PART;
    int told = 0;
    char bytes[PART * 7 / 2];
    char control[256];
    ssize_t got = -1;
    const int to = socket(AF_INET, SOCK_DGRAM, 0);
    const int from = socket(AF_INET, SOCK_DGRAM, 0);
    memset(bytes, 0, sizeof bytes);
    memset(&at, 0, sizeof at);
    memset(&m, 0, sizeof m);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    piece.iov_base = bytes;
    piece.iov_len = sizeof bytes;
    m.msg_iov = &piece;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    if (bind(to, (struct sockaddr *)&at, sizeof at) == 0 &&
        getsockname(to, (struct sockaddr *)&at, &at_size) == 0 &&
        setsockopt(to, IPPROTO_UDP, UDP_GRO_OPTION, &one, sizeof one) == 0 &&
        setsockopt(from, IPPROTO_UDP, UDP_SEGMENT_OPTION, &part, sizeof part) == 0 &&
        sendto(from, bytes, sizeof bytes, 0, (struct sockaddr *)&at, at_size) == (ssize_t)sizeof bytes)
        got = recvmsg(to, &m, 0);
    for (c = got < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO_OPTION)
            memcpy(&told, CMSG_DATA(c), sizeof told);
    close(to);
    close(from);
    return got == (ssize_t)sizeof bytes && told == PART;
}
#else
static inline bool system_has_io_uring(bool pool)
{
    return pool && false;
}

static inline bool system_has_epoll(void)
{
    return false;
}
#endif

/* Must dx_reactor_open() accept this backend? pool: with buffers. */
static inline bool system_has(int backend, bool pool)
{
    switch (backend) {
    case DX_REACTOR_BACKEND_IO_URING: return system_has_io_uring(pool);
    case DX_REACTOR_BACKEND_EPOLL: return system_has_epoll();
#if defined(DX_REACTOR_KQUEUE) || (!defined(__linux__) && !defined(_WIN32))
    case DX_REACTOR_BACKEND_KQUEUE: return true;
#endif
#if defined(_WIN32)
    case DX_REACTOR_BACKEND_IOCP: return true;
#endif
    default: return backend == DX_REACTOR_BACKEND_AUTO || backend == DX_REACTOR_BACKEND_SIMULATED;
    }
}

#if !defined(REACTOR_KIT_SYSTEM)
/* >>kit ---------------------------------------------------------------- */
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)
/* A timeout for events that come soon, even on a busy machine: no passing test waits this long. */
#define LONG (60 * (int64_t)S)

typedef struct loop {
    dx_reactor      r;
    dx_reactor_desc desc;
} loop;

/* A failing test leaves by longjmp; the next test closes what it left open. */
static loop *loops_open[8];
static int   fds_open[256], fds_count;

static int keep(int fd)
{
    if (fd >= 0 && fds_count < 256) fds_open[fds_count++] = fd;
    return fd;
}

static inline void forget_fd(int fd)
{
    for (int i = 0; i < fds_count; i++)
        if (fds_open[i] == fd) fds_open[i--] = fds_open[--fds_count];
}

static inline void shut(int fd)
{
    forget_fd(fd);
    close(fd);
}

static void clean(void)
{
    for (size_t i = 0; i < 8; i++) {
        if (!loops_open[i]) continue;
        close(loops_open[i]->r.poll_fd_); /* the kernel lets go of the buffers, which may be gone */
        close(loops_open[i]->r.wake_fd_);
        loops_open[i] = NULL;
    }
    while (fds_count) close(fds_open[--fds_count]);
}

static bool loop_try(loop *l, int backend)
{
    l->desc.backend = backend;
    l->desc.memory_size = dx_reactor_memory_size(&l->desc);
    DX_CHECK(l->desc.memory_size > 0);
    l->desc.memory = malloc(l->desc.memory_size);
    if (dx_reactor_open(&l->r, &l->desc) != DX_REACTOR_OK) {
        free(l->desc.memory);
        return false;
    }
    for (size_t i = 0; i < 8; i++)
        if (!loops_open[i]) {
            loops_open[i] = l;
            break;
        }
    return true;
}

/* The reactor has refused a backend: verify that the system lacks it. */
static inline void skip_refused(const dx_reactor *r, const dx_reactor_desc *d)
{
    DX_CHECK(!system_has(d->backend, d->buffer_count != 0));
    DX_SKIP(dx_reactor_refusal(r, d->backend));
}

static void loop_open(loop *l, int backend)
{
    if (!loop_try(l, backend)) skip_refused(&l->r, &l->desc);
}

static void loop_close(loop *l)
{
    for (size_t i = 0; i < 8; i++)
        if (loops_open[i] == l) loops_open[i] = NULL;
    DX_CHECK_EQ(dx_reactor_close(&l->r), DX_REACTOR_OK);
    DX_CHECK_EQ(dx_reactor_pending(&l->r), 0);
    free(l->desc.memory);
}

#if defined(DX_REACTOR_KQUEUE) /* kqueue emulation: tests/ports/kqueue */
  #define ON_KQUEUE(name)                    \
      DX_TEST(name##_kqueue)                 \
      {                                      \
          clean();                           \
          name##_on(DX_REACTOR_BACKEND_KQUEUE); \
      }
#else
  #define ON_KQUEUE(name)
#endif

#define EVERY(name)                                        \
    static void name##_on(int backend);                    \
    DX_TEST(name##_io_uring)                               \
    {                                                      \
        clean();                                           \
        name##_on(DX_REACTOR_BACKEND_IO_URING);            \
    }                                                      \
    DX_TEST(name##_epoll)                                  \
    {                                                      \
        clean();                                           \
        name##_on(DX_REACTOR_BACKEND_EPOLL);               \
    }                                                      \
    ON_KQUEUE(name)                                        \
    static void name##_on(int backend)

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* At least one completion. Waits may end without one: after a ring is closed, the kernel interrupts the
   thread. */
static int some(loop *l, dx_completion *out, uint32_t capacity)
{
    uint64_t end = now_ns() + LONG;
    int count;
    do {
        count = dx_reactor_wait(&l->r, out, capacity, LONG);
    } while (count == 0 && now_ns() < end);
    return count;
}

/* One completion, for this op. */
static inline int32_t want(loop *l, const dx_op *op)
{
    dx_completion c;
    DX_CHECK_EQ(some(l, &c, 1), 1);
    DX_CHECK_EQ(c.user_data, op->user_data);
    DX_CHECK_EQ(c.flags, 0);
    return c.result;
}

static inline void nothing(loop *l)
{
    dx_completion c;
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_reactor_wait(&l->r, &c, 1, 0), 0);
}

/* Wait `times` times for nothing and count the waits that ended early: after a ring is closed the kernel
   interrupts some, with a delay on a busy machine. */
static inline int short_waits(loop *l, int times, uint64_t ns)
{
    int early = 0;
    while (times--) {
        dx_completion c[4];
        uint64_t start = now_ns();
        DX_CHECK_EQ(dx_reactor_wait(&l->r, c, 4, (int64_t)ns), 0);
        early += now_ns() - start < ns;
    }
    return early;
}

static inline void pair(int *fds)
{
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    keep(fds[0]);
    keep(fds[1]);
}

static dx_op tagged(uint64_t tag)
{
    dx_op op;
    memset(&op, 0, sizeof op);
    op.user_data = tag;
    return op;
}

static inline int listener(loop *l, dx_reactor_address *bound)
{
    dx_reactor_address any;
    int fd = -1;
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&l->r, &any, DX_REACTOR_NODELAY, 0, &fd, bound), 0);
    DX_CHECK(dx_reactor_address_port(bound) != 0);
    return keep(fd);
}

/* A TCP connection made by the reactor: ends[0] connected, ends[1] accepted. */
static inline void tcp_pair(loop *l, int *ends)
{
    dx_reactor_address at;
    dx_op accept_op = tagged(1001), connect_op = tagged(1002);
    dx_completion c;
    int listening = listener(l, &at), seen = 0;
    DX_CHECK_EQ(dx_reactor_socket(&l->r, &at, 0, &ends[0]), 0);
    keep(ends[0]);
    DX_CHECK_EQ(dx_reactor_accept(&l->r, &accept_op, listening), 0);
    DX_CHECK_EQ(dx_reactor_connect(&l->r, &connect_op, ends[0], &at), 0);
    while (seen < 2) {
        DX_CHECK_EQ(some(l, &c, 1), 1);
        if (c.user_data == 1001) ends[1] = keep(c.result);
        else DX_CHECK_EQ(c.result, 0);
        seen++;
    }
    DX_CHECK(ends[1] >= 0);
    DX_CHECK_EQ(dx_reactor_forget(&l->r, listening), 0);
    shut(listening);
}
#endif /* !REACTOR_KIT_SYSTEM */
