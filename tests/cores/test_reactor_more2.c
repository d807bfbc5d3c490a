/* dx_reactor.h on kernels that are old, short of memory or terse: a test scripts io_uring's answers, and the reactor's
   requests are recorded. Also: how many threads one push wakes. */
#define _GNU_SOURCE
#include "../reactor_faults.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

static long script_syscall(long number, ...);
static void *script_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
static ssize_t script_write(int fd, const void *data, size_t size);
static int script_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *user);
static int script_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
static ssize_t script_send(int fd, const void *data, size_t size, int flags);
#undef syscall
#undef mmap
#define syscall script_syscall
#define mmap    script_mmap
#define write   script_write
#define pthread_create script_pthread_create
#define epoll_ctl script_epoll_ctl
#undef send
#define send(fd, data, size, flags) script_send(fd, data, size, flags)

#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"

#undef syscall
#undef mmap
#undef write
#undef pthread_create
#undef epoll_ctl
#undef send

#define DX_TEST_MAIN
#include "../dx_test.h"

#include "reactor_kit.h"

/* >>script --------------------------------------------------------------- */
enum { OP_FSYNC = 3, OP_POLL = 6, SETUPS_MAX = 32, ENTRIES_MAX = 4096, FEATURES = 5 };

static struct {
    int        setup_error;           /* the result of the first setup_refusals calls of io_uring_setup */
    int        setup_refusals, setups;
    uint32_t   entries[SETUPS_MAX], completions[SETUPS_MAX], flags[SETUPS_MAX]; /* their arguments */
    uint32_t   features_missing;
    int        opcode_missing;        /* missing in the probe; -1: none */
    int        map_refused, maps;     /* the n-th mmap of a ring fails; 0: none */
    int        busy;                  /* this many calls of io_uring_enter with entries accept none */
    bool       accepts_no_wait;       /* as before 6.1: -EAGAIN if no connection waits */
    bool       accepts_no_multishot;  /* as before 5.19: -EINVAL */
    int        connects_interrupted;  /* this many are interrupted but continue in the kernel: later ones return EALREADY */
    bool       connect_going_on;
    int        threads;               /* this many can be created, then EAGAIN; 0: no limit */
    int        lends;                 /* this many zero-copy sends are answered from lend[], in order */
    struct {
        int32_t result, notified;     /* of the send; of its notification, which reports whether it was copied */
        bool    silent;               /* no notification */
    } lend[4];
    int        lent;
    faults_sqe entry[ENTRIES_MAX];    /* the submitted entries, in order */
    int        count;
    uint32_t   writes[FAULTS_FDS];    /* of eight bytes, by descriptor */
    uint32_t   controls;              /* calls of epoll_ctl */
    size_t     sends_most;            /* a send takes at most this many bytes; 0: the kernel decides */
    int        pwaits;                /* calls of epoll_pwait2 */
    int        pwait_error;           /* the result of the next one; 0: the kernel's */
} script;

static void script_start(void)
{
    clean();
    memset(&script, 0, sizeof script);
    script.opcode_missing = -1;
}

static int submitted(int opcode)
{
    int n = 0;
    for (int i = 0; i < script.count; i++) n += script.entry[i].opcode == opcode;
    return n;
}

static const faults_sqe *last_of(int opcode)
{
    int i = script.count;
    while (i && script.entry[i - 1].opcode != opcode) i--;
    DX_CHECK(i > 0);
    return &script.entry[i - 1];
}

static long script_setup(long entries, uint32_t *params)
{
    const int n = script.setups++;
    long fd;
    if (n < SETUPS_MAX) {
        script.entries[n] = (uint32_t)entries;
        script.completions[n] = params[1];
        script.flags[n] = params[2];
    }
    if (n < script.setup_refusals) {
        errno = script.setup_error;
        return -1;
    }
    fd = faults_setup(entries, params);
    params[FEATURES] &= ~script.features_missing;
    return fd;
}

static int script_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *user)
{
    if (script.threads && --script.threads == 0) return EAGAIN;
    return pthread_create(thread, how, run, user);
}

static int script_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    script.controls++;
    return epoll_ctl(epoll, what, fd, event);
}

static ssize_t script_send(int fd, const void *data, size_t size, int flags)
{
    if (script.sends_most && size > script.sends_most) size = script.sends_most;
    return (send)(fd, data, size, flags);
}

/* The script's answer to an entry; false: the kernel handles it. */
static bool script_answer(faults_ring *g, const faults_sqe *s, faults_cqe *cqe)
{
    int32_t *result = &cqe->result;
    struct pollfd p = {s->fd, POLLIN, 0};
    if (s->opcode == FAULTS_OP_ACCEPT) {
        *result = script.accepts_no_multishot && s->ioprio ? -EINVAL : -EAGAIN;
        return (script.accepts_no_multishot && s->ioprio) || (script.accepts_no_wait && poll(&p, 1, 0) == 0);
    }
    if (s->opcode == FAULTS_OP_SEND_ZC && script.lent < script.lends) {
        faults_hold(g, &(faults_cqe){s->user_data, script.lend[script.lent].result,
                                     script.lend[script.lent].silent ? 0 : DX_REACTOR_P_CQE_MORE});
        cqe->flags = DX_REACTOR_P_CQE_NOTIFY;
        cqe->result = script.lend[script.lent].notified;
        if (script.lend[script.lent++].silent) cqe->user_data = DX_REACTOR_P_TAG_IGNORE;
        return true;
    }
    if (s->opcode != FAULTS_OP_CONNECT || !script.connects_interrupted) return false;
    *result = script.connect_going_on ? -EALREADY : -EINTR;
    if (!script.connect_going_on)
        (void)(connect)(s->fd, (const struct sockaddr *)(uintptr_t)s->addr, (socklen_t)s->off);
    script.connect_going_on = true;
    script.connects_interrupted--;
    return true;
}

static void script_look_at(faults_ring *g, uint32_t count)
{
    const uint32_t mask = *faults_at(&g->seen, g->sq_mask), head = *faults_at(&g->seen, g->sq_head);
    for (uint32_t i = 0; i < count; i++) {
        faults_sqe *s = &g->seen.entries[faults_at(&g->seen, g->sq_array)[(head + i) & mask]];
        faults_cqe cqe = {s->user_data, 0, 0};
        if (script.count < ENTRIES_MAX) script.entry[script.count++] = *s;
        if (!script_answer(g, s, &cqe)) continue;
        faults_hold(g, &cqe);
        memset(s, 0, sizeof *s); /* a no-op without an owner */
        s->user_data = DX_REACTOR_P_TAG_IGNORE;
    }
}

static long script_syscall(long number, ...)
{
    long a[6], result;
    va_list list;
    faults_ring *g;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = i < 5 || faults_has_six(number) ? va_arg(list, long) : 0;
    va_end(list);
    if (number == FAULTS_SETUP) return script_setup(a[0], (uint32_t *)(uintptr_t)a[1]);
    if (number == FAULTS_REGISTER && a[1] == DX_REACTOR_P_REGISTER_PROBE) {
        result = syscall(number, a[0], a[1], a[2], a[3]);
        if (script.opcode_missing >= 0) ((uint16_t *)(uintptr_t)a[2])[8 + 4 * script.opcode_missing + 1] = 0;
        return result;
    }
    if (number == FAULTS_PWAIT2) {
        script.pwaits++;
        errno = script.pwait_error;
        script.pwait_error = 0;
        if (errno) return -1;
    }
    g = number == FAULTS_ENTER ? faults_of(a[0]) : NULL;
    if (g && a[1] && script.busy) {
        script.busy--;
        errno = EBUSY;
        return -1;
    }
    if (g && a[1]) script_look_at(g, (uint32_t)a[1]);
    return faults_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void *script_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && ++script.maps == script.map_refused) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return faults_mmap(at, size, protection, flags, fd, offset);
}

static ssize_t script_write(int fd, const void *data, size_t size)
{
    if (size == 8 && fd >= 0 && fd < FAULTS_FDS) __atomic_add_fetch(&script.writes[fd], 1, __ATOMIC_SEQ_CST);
    return (write)(fd, data, size);
}

/* >>set-up ------------------------------------------------------------------ */
static void needs_io_uring(void)
{
    loop l = {0};
    script_start();
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    loop_close(&l);
    script_start();
}

/* The loop works: bytes pass through a pair, a timer fires. */
static void check_works(loop *l)
{
    dx_op in = tagged(1), out = tagged(2), timer = tagged(3);
    char bytes[4] = {0};
    int fds[2];
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &in, fds[0], bytes, 4), 0);
    nothing(l);
    DX_CHECK_EQ(dx_reactor_send(&l->r, &out, fds[1], "abcd", 4), 0);
    for (int i = 0; i < 2; i++) {
        dx_completion c;
        DX_CHECK_EQ(some(l, &c, 1), 1);
        DX_CHECK_EQ(c.result, 4);
    }
    DX_CHECK_MEM(bytes, "abcd", 4);
    DX_CHECK_EQ(dx_reactor_timer(&l->r, &timer, MS), 0);
    DX_CHECK_EQ(want(l, &timer), 0);
    DX_CHECK_EQ(dx_reactor_forget(&l->r, fds[0]), 0);
    DX_CHECK_EQ(dx_reactor_forget(&l->r, fds[1]), 0);
}

static void check_refused(const dx_reactor_desc *like, const char *why, int number)
{
    static char memory[1 << 22];
    static dx_reactor r;
    dx_reactor_desc desc = *like;
    const int before = dup(0), lowest = before;
    int after;
    close(before);
    desc.backend = DX_REACTOR_BACKEND_IO_URING;
    desc.memory = memory;
    desc.memory_size = dx_reactor_memory_size(&desc);
    DX_CHECK(desc.memory_size <= sizeof memory);
    DX_CHECK_EQ(dx_reactor_open(&r, &desc), DX_REACTOR_ENOTSUP);
    DX_CHECK(strcmp(dx_reactor_refusal(&r, DX_REACTOR_BACKEND_IO_URING), why) == 0);
    DX_CHECK_EQ(dx_reactor_sys_errno(&r), number);
    after = dup(0);
    close(after);
    DX_CHECK_EQ(after, lowest); /* nothing was left open */
}

/* If the kernel has no memory for a ring, the reactor halves its size, down to one entry. */
DX_TEST(rings_shrink_where_memory_is_short)
{
    for (int refusals = 0; refusals <= 6; refusals++) {
        loop l = {0};
        needs_io_uring();
        script.setup_error = ENOMEM;
        script.setup_refusals = refusals;
        l.desc.queue_entries = 64;
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        DX_CHECK_EQ(script.setups, refusals + 1);
        for (int i = 0; i <= refusals; i++) {
            DX_CHECK_EQ(script.entries[i], 64u >> i);
            DX_CHECK_EQ(script.completions[i], 256u >> i);
            DX_CHECK_EQ(script.flags[i], script.flags[0]);
        }
        check_works(&l);
        loop_close(&l);
    }
    loop l = {0};
    script_start();
    script.setup_error = ENOMEM;
    script.setup_refusals = 100;
    l.desc.queue_entries = 64;
    check_refused(&l.desc, "io_uring_setup: ENOMEM", ENOMEM);
    DX_CHECK_EQ(script.setups, 7);
    /* A completion queue is never smaller than the submission queue. */
    script_start();
    script.setup_error = ENOMEM;
    script.setup_refusals = 100;
    l.desc.completion_entries = 2;
    check_refused(&l.desc, "io_uring_setup: ENOMEM", ENOMEM);
    for (int i = 0; i < script.setups; i++) {
        DX_CHECK(script.completions[i] >= script.entries[i]);
        DX_CHECK(script.completions[i] <= (script.entries[i] > 2 ? script.entries[i] : 2));
    }
}

/* Flags that the kernel does not know are dropped, newest first; the size stays. */
DX_TEST(older_kernels_get_fewer_flags)
{
    loop l = {0};
    for (int refusals = 0; refusals < 4; refusals++) {
        needs_io_uring();
        memset(&l, 0, sizeof l);
        script.setup_error = EINVAL;
        script.setup_refusals = refusals;
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        DX_CHECK_EQ(script.setups, refusals + 1);
        for (int i = 0; i <= refusals; i++) {
            DX_CHECK_EQ(script.entries[i], 256);
            DX_CHECK_EQ(script.completions[i], 1024);
            for (int k = 0; k < i; k++) DX_CHECK(script.flags[i] != script.flags[k]);
        }
        check_works(&l);
        loop_close(&l);
    }
    script_start();
    script.setup_error = EINVAL;
    script.setup_refusals = 100;
    memset(&l, 0, sizeof l);
    check_refused(&l.desc, "io_uring_setup: EINVAL", EINVAL);
    DX_CHECK_EQ(script.setups, 4);
    DX_CHECK_EQ(script.flags[3], DX_REACTOR_P_SETUP_CQSIZE | DX_REACTOR_P_SETUP_CLAMP);
}

/* Any other error is final at once, and is reported with its name or number. */
DX_TEST(other_errors_of_setup_are_final)
{
    static const struct {
        int number;
        const char *why;
    } errors[] = {{ENOSYS, "io_uring_setup: ENOSYS"}, {EPERM, "io_uring_setup: EPERM"},
                  {EACCES, "io_uring_setup: EACCES"}, {EMFILE, "io_uring_setup: EMFILE"},
                  {ENFILE, "io_uring_setup: ENFILE"}, {EFAULT, "io_uring_setup: errno 14"}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        loop l = {0};
        script_start();
        script.setup_error = errors[i].number;
        script.setup_refusals = 100;
        check_refused(&l.desc, errors[i].why, errors[i].number);
        DX_CHECK_EQ(script.setups, 1);
    }
}

DX_TEST(features_that_are_needed)
{
    loop l = {0};
    needs_io_uring();
    for (int bit = 0; bit < 9; bit++) {
        const bool needed = bit == 0 || bit == 1 || bit == 2 || bit == 3 || bit == 5;
        script_start();
        script.features_missing = 1u << bit;
        memset(&l, 0, sizeof l);
        if (needed) {
            check_refused(&l.desc, "io_uring of a kernel before 5.7: ENOSYS", ENOSYS);
            continue;
        }
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        if (bit != 8) check_works(&l);
        loop_close(&l);
    }
    memset(&l, 0, sizeof l);
    l.desc.sqpoll_idle_ms = 1;
    script_start();
    script.features_missing = 1u << 7;
    check_refused(&l.desc, "SQPOLL of a kernel before 5.11: ENOSYS", ENOSYS);
}

/* Every operation that the reactor uses must be supported, except the zero-copy send. */
DX_TEST(operations_that_are_needed)
{
    static const int needed[] = {0, 3, 6, 9, 10, 13, 14, 16, 22, 23, 26, 27};
    loop l = {0};
    needs_io_uring();
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        script_start();
        script.opcode_missing = needed[i];
        check_refused(&l.desc, "io_uring_register: operations are missing: EOPNOTSUPP", EOPNOTSUPP);
    }
    script_start();
    script.opcode_missing = FAULTS_OP_SEND_ZC; /* as new as what a pool needs */
    l.desc.buffer_count = 4;
    check_refused(&l.desc, "io_uring without multishot receives into a pool: EOPNOTSUPP", EOPNOTSUPP);
}

/* Ask the kernel itself, not the reactor: does it know an opcode? */
static bool kernel_has(int ring, int opcode)
{
    uint16_t probe[8 + 4 * 64] = {0};
    syscall(FAULTS_REGISTER, (long)ring, 8L /* PROBE */, probe, 64L);
    return probe[8 + 4 * opcode + 1] & 1;
}

/* Zero-copy sends where the kernel supports them; plain sends elsewhere. */
DX_TEST(zero_copy_where_the_kernel_has_it)
{
    static char block[1 << 16];
    for (int has = 0; has < 2; has++) {
        loop l = {0};
        dx_op in = tagged(1), out = tagged(2);
        static char back[1 << 16];
        int ends[2];
        needs_io_uring();
        if (!has) script.opcode_missing = FAULTS_OP_SEND_ZC;
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        if (has && !kernel_has(l.r.poll_fd_, FAULTS_OP_SEND_ZC)) DX_SKIP("a kernel before 6.0");
        DX_CHECK_EQ(l.r.ring_.zero_copy, has);
        tcp_pair(&l, ends);
        memset(block, 'a' + has, sizeof block);
        DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &out, ends[0], block, sizeof block), 0);
        for (size_t got = 0; got < sizeof block || dx_reactor_op_pending(&out);) {
            dx_completion c;
            if (got < sizeof block && !dx_reactor_op_pending(&in))
                DX_CHECK_EQ(dx_reactor_recv(&l.r, &in, ends[1], back + got, (uint32_t)(sizeof block - got)), 0);
            DX_CHECK_EQ(some(&l, &c, 1), 1);
            DX_CHECK(c.result > 0);
            if (c.user_data == 1) got += (size_t)c.result;
            else DX_CHECK_EQ(c.result, (int)sizeof block);
        }
        DX_CHECK_MEM(back, block, sizeof block);
        DX_CHECK_EQ(submitted(FAULTS_OP_SEND_ZC) > 0, has);
        if (!has) DX_CHECK(submitted(FAULTS_OP_SEND) > 0);
        loop_close(&l);
    }
}

/* A notification becomes the completion's flag if all pieces were sent without a copy; the operation ends no earlier.
   After a copied piece, the rest is sent plainly. */
DX_TEST(notifications_say_whether_it_was_copied)
{
    enum { SIZE = 1000, COPIED = INT32_MIN };
    static const struct {
        int     lends;
        struct {
            int32_t result, notified;
            bool    silent;
        } lend[3];
        int32_t  result;
        uint32_t flags, plain, transferred; /* plain: ordinary sends */
    } cases[] = {
        {1, {{SIZE, 0, false}}, SIZE, DX_REACTOR_F_UNCOPIED, 0, SIZE},
        {1, {{SIZE, COPIED, false}}, SIZE, 0, 0, SIZE},
        {2, {{400, 0, false}, {600, 0, false}}, SIZE, DX_REACTOR_F_UNCOPIED, 0, SIZE},
        {2, {{400, 0, false}, {600, COPIED, false}}, SIZE, 0, 0, SIZE},
        {1, {{400, COPIED, false}}, SIZE, 0, 1, SIZE},
        {2, {{-EINTR, 0, true}, {SIZE, 0, false}}, SIZE, DX_REACTOR_F_UNCOPIED, 0, SIZE},
        {1, {{-EINVAL, 0, true}}, SIZE, 0, 1, SIZE},
        {1, {{-EPIPE, 0, true}}, -EPIPE, 0, 0, 0},
        {2, {{400, 0, false}, {-EPIPE, 0, true}}, -EPIPE, DX_REACTOR_F_UNCOPIED, 0, 400},
        {2, {{400, 0, false}, {-EPIPE, 0, false}}, -EPIPE, DX_REACTOR_F_UNCOPIED, 0, 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loop l = {0};
        dx_op op = tagged(1);
        dx_completion c;
        static char block[SIZE];
        int ends[2];
        needs_io_uring();
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        if (!kernel_has(l.r.poll_fd_, FAULTS_OP_SEND_ZC)) DX_SKIP("a kernel before 6.0");
        tcp_pair(&l, ends);
        script.lends = cases[i].lends;
        for (int k = 0; k < cases[i].lends; k++) {
            script.lend[k].result = cases[i].lend[k].result;
            script.lend[k].notified = cases[i].lend[k].notified;
            script.lend[k].silent = cases[i].lend[k].silent;
        }
        DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], block, SIZE), 0);
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.result, cases[i].result);
        DX_CHECK_EQ(c.flags, cases[i].flags);
        DX_CHECK_EQ(dx_reactor_op_transferred(&op), cases[i].transferred);
        DX_CHECK_EQ(submitted(FAULTS_OP_SEND), cases[i].plain);
        DX_CHECK_EQ(script.lent, cases[i].lends);
        nothing(&l);
        loop_close(&l);
    }
}

/* If mapping its rings fails, io_uring is refused, and AUTO selects the next backend. */
DX_TEST(maps_that_fail)
{
    needs_io_uring();
    for (int which = 1; which <= 2; which++) {
        loop l = {0};
        script_start();
        script.map_refused = which;
        check_refused(&l.desc, "mmap of io_uring: ENOMEM", ENOMEM);
        script_start();
        script.map_refused = which;
        loop_open(&l, DX_REACTOR_BACKEND_AUTO);
        DX_CHECK(strcmp(dx_reactor_backend_name(&l.r), "epoll") == 0);
        check_works(&l);
        loop_close(&l);
    }
}

/* >>entries ----------------------------------------------------------------- */
/* fsync and fdatasync cover the whole file. */
DX_TEST(a_sync_is_of_the_whole_file)
{
    loop l = {0};
    dx_op op = tagged(1);
    FILE *file = tmpfile();
    int fd;
    DX_CHECK(file != NULL);
    needs_io_uring();
    fd = keep(dup(fileno(file)));
    fclose(file);
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    for (int data_only = 0; data_only < 2; data_only++) {
        DX_CHECK_EQ(dx_reactor_write(&l.r, &op, fd, "0123456789", 10, 5), 0);
        DX_CHECK_EQ(want(&l, &op), 10);
        DX_CHECK_EQ(dx_reactor_fsync(&l.r, &op, fd, data_only), 0);
        DX_CHECK_EQ(want(&l, &op), 0);
        const faults_sqe *s = last_of(OP_FSYNC);
        DX_CHECK_EQ(s->fd, fd);
        DX_CHECK_EQ(s->off, 0);
        DX_CHECK_EQ(s->len, 0);
        DX_CHECK_EQ(s->op_flags, data_only);
    }
    loop_close(&l);
}

static int listen_and_accept(loop *l, dx_op *op, bool multishot, dx_reactor_address *at)
{
    const int fd = listener(l, at);
    DX_CHECK_EQ(multishot ? dx_reactor_accept_multishot(&l->r, op, fd) : dx_reactor_accept(&l->r, op, fd), 0);
    return fd;
}

static void join_and_check(loop *l, const dx_op *accepting, const dx_reactor_address *at)
{
    dx_op connecting = tagged(77);
    int fd = -1, seen = 0;
    DX_CHECK_EQ(dx_reactor_socket(&l->r, at, 0, &fd), 0);
    keep(fd);
    DX_CHECK_EQ(dx_reactor_connect(&l->r, &connecting, fd, at), 0);
    while (seen != 3) {
        dx_completion c;
        DX_CHECK_EQ(some(l, &c, 1), 1);
        DX_CHECK(c.result >= 0);
        if (c.user_data == accepting->user_data) keep(c.result);
        seen |= c.user_data == accepting->user_data ? 1 : 2;
    }
}

/* Before 6.1, an accept on a non-blocking listener ends with EAGAIN instead of waiting: the reactor then waits with a
   poll instead of retrying. */
DX_TEST(accepts_that_do_not_wait)
{
    for (int multishot = 0; multishot < 2; multishot++) {
        loop l = {0};
        dx_op op = tagged(1);
        dx_reactor_address at;
        dx_completion c;
        needs_io_uring();
        script.accepts_no_wait = true;
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        const int fd = listen_and_accept(&l, &op, multishot, &at);
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < 20; k++) DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, MS), 0);
            DX_CHECK(submitted(FAULTS_OP_ACCEPT) <= 3 + 3 * i);
            DX_CHECK_EQ(last_of(OP_POLL)->op_flags & POLLIN, POLLIN);
            join_and_check(&l, &op, &at);
            if (!multishot) DX_CHECK_EQ(dx_reactor_accept(&l.r, &op, fd), 0);
        }
        DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
        DX_CHECK_EQ(want(&l, &op), -ECANCELED);
        loop_close(&l);
    }
}

/* Before 5.19 there is no multishot accept: single accepts replace it, after one failed attempt. */
DX_TEST(accepts_one_by_one)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_reactor_address at;
    int vain = 0;
    needs_io_uring();
    script.accepts_no_multishot = true;
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    listen_and_accept(&l, &op, true, &at);
    for (int i = 0; i < 4; i++) join_and_check(&l, &op, &at);
    for (int i = 0; i < script.count; i++) vain += script.entry[i].opcode == FAULTS_OP_ACCEPT && script.entry[i].ioprio;
    DX_CHECK_EQ(vain, 1);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    loop_close(&l);
}

/* A connect interrupted by a signal continues in the kernel; the reactor waits until the socket is writable. */
DX_TEST(connects_that_are_interrupted)
{
    for (int times = 1; times < 4; times++) {
        loop l = {0};
        dx_op op = tagged(1), connecting = tagged(2);
        dx_reactor_address at;
        dx_completion c;
        int fd = -1;
        needs_io_uring();
        loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
        listen_and_accept(&l, &op, false, &at);
        DX_CHECK_EQ(dx_reactor_socket(&l.r, &at, 0, &fd), 0);
        keep(fd);
        script.connects_interrupted = times;
        DX_CHECK_EQ(dx_reactor_connect(&l.r, &connecting, fd, &at), 0);
        for (int seen = 0; seen != 3;) {
            DX_CHECK_EQ(some(&l, &c, 1), 1);
            DX_CHECK(c.result >= 0);
            if (c.user_data == 1) keep(c.result);
            else DX_CHECK_EQ(c.result, 0);
            seen |= (int)c.user_data;
        }
        int polls = 0;
        for (int i = 0; i < script.count; i++)
            polls += script.entry[i].opcode == OP_POLL && script.entry[i].fd == fd && (script.entry[i].op_flags & POLLOUT);
        DX_CHECK_EQ(polls, times - 1);
        loop_close(&l);
    }
}

/* A cancel that finds the queue full is sent later, for that operation only. */
DX_TEST(a_cancel_that_found_no_room_follows)
{
    loop l = {0};
    dx_op polls[2] = {tagged(1), tagged(2)}, more[4];
    char bytes[4][4];
    int fds[2], others[4][2];
    needs_io_uring();
    l.desc.queue_entries = 2;
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    pair(fds);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_reactor_poll(&l.r, &polls[i], fds[0], DX_REACTOR_READABLE), 0);
    nothing(&l);
    script.busy = 1000;
    for (int i = 0; i < 4; i++) { /* more than there is room for */
        pair(others[i]);
        more[i] = tagged(10 + (uint64_t)i);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &more[i], others[i][0], bytes[i], 4), 0);
    }
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &polls[0]), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &polls[0]), 0); /* asking twice is harmless */
    nothing(&l);
    DX_CHECK_EQ(submitted(FAULTS_OP_CANCEL), 0);
    script.busy = 0;
    DX_CHECK_EQ(want(&l, &polls[0]), -ECANCELED);
    nothing(&l);
    DX_CHECK_EQ(submitted(FAULTS_OP_CANCEL), 1);
    DX_CHECK_EQ(last_of(FAULTS_OP_CANCEL)->addr, (uintptr_t)&polls[0]);
    DX_CHECK(dx_reactor_op_pending(&polls[1]));
    for (int i = 0; i < 4; i++) {
        DX_CHECK(dx_reactor_op_pending(&more[i]));
        DX_CHECK_EQ((write)(others[i][1], "abcd", 4), 4);
        DX_CHECK_EQ(want(&l, &more[i]), 4);
    }
    DX_CHECK_EQ((write)(fds[1], "x", 1), 1);
    DX_CHECK_EQ(want(&l, &polls[1]), DX_REACTOR_READABLE);
    loop_close(&l);
}

/* The kernel does not know an operation that found no room in the queue: a cancel ends it at once, without a call. */
DX_TEST(a_cancel_of_what_found_no_room)
{
    loop l = {0};
    dx_op ops[4];
    char bytes[4][4];
    int fds[4][2];
    needs_io_uring();
    l.desc.queue_entries = 2;
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    script.busy = 1000;
    for (int i = 0; i < 4; i++) {
        pair(fds[i]);
        ops[i] = tagged((uint64_t)i);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], bytes[i], 4), 0);
    }
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[3]), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[3]), DX_REACTOR_EALREADY);
    script.busy = 0;
    DX_CHECK_EQ(want(&l, &ops[3]), -ECANCELED);
    nothing(&l);
    DX_CHECK_EQ(submitted(FAULTS_OP_CANCEL), 0);
    DX_CHECK_EQ(submitted(FAULTS_OP_RECV), 3);
    loop_close(&l);
}

/* An accept that exceeds its share of a round continues in the next one. Meanwhile other operations of its descriptor
   are unaffected, and a cancel ends it with exactly -ECANCELED, after the connections it delivered. */
EVERY(a_cancel_of_what_has_had_its_share)
{
    enum { MANY = 40 };
    loop l = {0};
    dx_op accepting = tagged(1), polling = tagged(2);
    dx_reactor_address at;
    dx_completion c[64];
    int listening, came = 0, ended = 0;
    script_start();
    loop_open(&l, backend);
    listening = listener(&l, &at);
    DX_CHECK_EQ(dx_reactor_poll(&l.r, &polling, listening, DX_REACTOR_WRITABLE), 0);
    for (int i = 0; i < MANY; i++) {
        const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        DX_CHECK_EQ((connect)(fd, (const struct sockaddr *)(const void *)at.bytes, (socklen_t)at.size), 0);
    }
    DX_CHECK_EQ(dx_reactor_accept_multishot(&l.r, &accepting, listening), 0);
    while (came < MANY / 2) {
        const int n = some(&l, c, 1);
        DX_CHECK_EQ(n, 1);
        DX_CHECK(c[0].user_data == 1 && c[0].result >= 0 && (c[0].flags & DX_REACTOR_F_MORE));
        keep(c[0].result);
        came++;
    }
    DX_CHECK(dx_reactor_op_pending(&polling));
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &accepting), 0);
    while (!ended) {
        const int n = some(&l, c, 64);
        DX_CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            DX_CHECK(!ended && c[i].user_data == 1);
            ended = !(c[i].flags & DX_REACTOR_F_MORE);
            if (ended) DX_CHECK_EQ(c[i].result, -ECANCELED);
            else keep(c[i].result);
            came += !ended;
        }
    }
    DX_CHECK(came <= MANY);
    DX_CHECK(dx_reactor_op_pending(&polling));
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &polling), 0);
    DX_CHECK_EQ(want(&l, &polling), -ECANCELED);
    loop_close(&l);
}

/* An operation queued after a send that used up its share of a round starts when that send ends in a later round. */
DX_TEST(what_waits_behind_a_send_that_had_its_share_begins)
{
    enum { LARGE = DX_REACTOR_P_TRIES * 3 / 2 };
    loop l = {0};
    dx_op first = tagged(1), second = tagged(2), closing = tagged(3);
    char bytes[LARGE] = {0}, got[LARGE + 1];
    int fds[2];
    for (int closes = 0; closes < 2; closes++) {
        script_start();
        loop_open(&l, DX_REACTOR_BACKEND_EPOLL);
        pair(fds);
        script.sends_most = 1;
        DX_CHECK_EQ(dx_reactor_send(&l.r, &first, fds[0], bytes, LARGE), 0);
        if (closes) DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &closing, fds[0]), 0);
        else DX_CHECK_EQ(dx_reactor_send(&l.r, &second, fds[0], "x", 1), 0);
        DX_CHECK_EQ(want(&l, &first), closes ? -ECANCELED : LARGE);
        DX_CHECK_EQ(want(&l, closes ? &closing : &second), !closes);
        if (closes) forget_fd(fds[0]);
        else DX_CHECK_EQ(recv(fds[1], got, sizeof got, MSG_DONTWAIT), LARGE + 1);
        loop_close(&l);
    }
}

/* The same for a receive that pauses because the caller holds its share of the buffers. */
EVERY(a_cancel_of_what_rests)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_completion c;
    uint32_t buffers[64];
    int fds[2], count = 0;
    script_start();
    l.desc.buffer_count = 4;
    l.desc.buffers_per_op = 1;
    loop_open(&l, backend);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), 0);
    nothing(&l);
    DX_CHECK_EQ((write)(fds[1], "abcd", 4), 4);
    DX_CHECK_EQ(some(&l, &c, 1), 1);
    DX_CHECK_EQ(c.result, 4);
    buffers[count++] = c.flags;
    DX_CHECK_EQ((write)(fds[1], "efgh", 4), 4);
    for (int i = 0; i < 3; i++) {
        if (dx_reactor_wait(&l.r, &c, 1, MS) == 0) continue;
        DX_CHECK(c.result == 4 && (c.flags & DX_REACTOR_F_MORE)); /* io_uring may be one ahead */
        buffers[count++] = c.flags;
    }
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    while (count) DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, buffers[--count]), 0);
    nothing(&l);
    loop_close(&l);
}

/* A caller's blocking descriptor stays blocking: others may share it. */
EVERY(a_socket_that_blocks_is_left_so)
{
    loop l = {0};
    dx_op in = tagged(1), out = tagged(2);
    char bytes[4];
    int fds[2];
    script_start();
    loop_open(&l, backend);
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    keep(fds[0]);
    keep(fds[1]);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &in, fds[0], bytes, 4), 0);
    nothing(&l);
    DX_CHECK_EQ(dx_reactor_send(&l.r, &out, fds[1], "abcd", 4), 0);
    for (int i = 0; i < 2; i++) {
        dx_completion c;
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.result, 4);
    }
    DX_CHECK_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    DX_CHECK_EQ(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    loop_close(&l);
}

/* The last byte of the largest file has offset 2^63 - 2; anything beyond is refused. */
EVERY(offsets_end_where_those_of_the_system_end)
{
    const uint64_t end = INT64_MAX;
    loop l = {0};
    dx_op op = tagged(1);
    char byte[2];
    FILE *file = tmpfile();
    script_start();
    loop_open(&l, backend);
    DX_CHECK(file != NULL);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fileno(file), byte, 1, end - 1), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fileno(file), byte, 1, end), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fileno(file), byte, 2, end - 1), DX_REACTOR_EINVAL);
    loop_close(&l);
    fclose(file);
}

/* More file threads than the limit are refused; the limit itself is accepted. */
EVERY(threads_for_files_have_a_limit)
{
    loop l = {0};
    script_start();
    l.desc.file_threads = DX_REACTOR_FILE_THREADS + 1;
    l.desc.backend = backend;
    l.desc.memory_size = dx_reactor_memory_size(&(dx_reactor_desc){0});
    l.desc.memory = malloc(l.desc.memory_size);
    DX_CHECK_EQ(dx_reactor_memory_size(&l.desc), 0);
    DX_CHECK_EQ(dx_reactor_open(&l.r, &l.desc), DX_REACTOR_EINVAL);
    free(l.desc.memory);
    l.desc.file_threads = DX_REACTOR_FILE_THREADS;
    loop_open(&l, backend);
    loop_close(&l);
}

/* >>waiting ------------------------------------------------------------------ */
/* epoll_pwait2 is abandoned, at once and without an error, if the system lacks it or a filter refuses it; not after a
   signal. */
DX_TEST(short_sleeps_of_epoll_where_the_system_has_none)
{
    static const struct { int error, calls, calls_without; } cases[] = {{0, 3, 1}, {EINTR, 3, 2}, {ENOSYS, 1, 1}, {EPERM, 1, 1}};
    const bool lacks = (syscall)(FAULTS_PWAIT2, -1L, NULL, 1L, NULL, NULL, 0L) < 0 && (errno == ENOSYS || errno == EPERM);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loop l = {0};
        script_start();
        loop_open(&l, DX_REACTOR_BACKEND_EPOLL);
        script.pwait_error = cases[i].error;
        for (int n = 0; n < 3; n++) {
            dx_completion c;
            DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, (int64_t)MS), 0);
        }
        DX_CHECK_EQ(script.pwaits, lacks ? cases[i].calls_without : cases[i].calls);
        loop_close(&l);
    }
}

/* A wait with a timeout of 0 polls once, even if spinning is on; and if polling finds a completion, there is no further
   call. */
EVERY(a_wait_that_need_not_sleep_looks_once)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_reactor_stats before, after;
    uint64_t fewest = UINT64_MAX;
    int fds[2];
    script_start();
    l.desc.spin_ns = 200 * 1000 * 1000;
    loop_open(&l, backend);
    pair(fds);
    for (int i = 0; i < 10; i++) {
        dx_completion got;
        char byte;
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], &byte, 1), 0);
        dx_reactor_get_stats(&l.r, &before);
        DX_CHECK_EQ(dx_reactor_wait(&l.r, &got, 1, 0), 0);
        dx_reactor_get_stats(&l.r, &after);
        DX_CHECK(after.system_waits - before.system_waits <= 1);
        DX_CHECK_EQ((write)(fds[1], "x", 1), 1);
        before = after;
        DX_CHECK_EQ(some(&l, &got, 1), 1);
        DX_CHECK_EQ(got.result, 1);
        dx_reactor_get_stats(&l.r, &after);
        if (after.system_waits - before.system_waits < fewest) fewest = after.system_waits - before.system_waits;
    }
    DX_CHECK_EQ(fewest, 1);
    loop_close(&l);
}

/* dx_reactor_refusal() is empty without a reactor or a valid backend. */
EVERY(a_refusal_of_nobody_is_empty)
{
    loop l = {0};
    script_start();
    loop_open(&l, backend);
    DX_CHECK_STR(dx_reactor_refusal(NULL, backend), "");
    DX_CHECK_STR(dx_reactor_refusal(&l.r, (dx_reactor_backend)0), "");
    DX_CHECK_STR(dx_reactor_refusal(&l.r, DX_REACTOR_BACKEND_COUNT), "");
    loop_close(&l);
}

/* A spinning wait sees what another thread hands over, long before it would sleep. */
typedef struct caller {
    dx_reactor *r;
    int         fd; /* write a byte to it, or -1: post a message */
} caller;

static void *call_later(void *user)
{
    const caller *me = (const caller *)user;
    const dx_reactor_message message = {{7, 0, 0}};
    usleep(20000);
    if (me->fd >= 0) DX_CHECK_EQ((write)(me->fd, "x", 1), 1);
    else DX_CHECK_EQ(dx_reactor_post(me->r, &message), 0);
    return NULL;
}

EVERY(a_call_from_another_thread_ends_a_spin)
{
    for (int by_file = 0; by_file < 2; by_file++) {
        loop l = {0};
        dx_op op = tagged(1);
        dx_reactor_message messages[1];
        pthread_t thread;
        caller other;
        char byte;
        int fds[2];
        script_start();
        l.desc.spin_ns = UINT32_C(4000000000);
        l.desc.file_threads = 1;
        loop_open(&l, backend);
        DX_CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        keep(fds[0]);
        keep(fds[1]);
        other.r = &l.r;
        other.fd = by_file ? fds[1] : -1;
        if (by_file) DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], &byte, 1, DX_REACTOR_NO_OFFSET), 0);
        else DX_CHECK_EQ(dx_reactor_receive(&l.r, &op, messages, 1), 0);
        const uint64_t began = dx_reactor_p_clock(&l.r);
        DX_CHECK_EQ(pthread_create(&thread, NULL, call_later, &other), 0);
        DX_CHECK_EQ(want(&l, &op), 1);
        DX_CHECK(dx_reactor_p_clock(&l.r) - began < UINT64_C(2000) * MS);
        DX_CHECK_EQ(pthread_join(thread, NULL), 0);
        loop_close(&l);
    }
}

/* >>workers ------------------------------------------------------------------ */
static uint32_t ran;

static void child_run(dx_reactor_task *task, dx_reactor_worker *w)
{
    (void)task, (void)w;
    __atomic_add_fetch(&ran, 1, __ATOMIC_SEQ_CST);
}

static dx_reactor_task child;

static uint32_t writes_to_others(const dx_reactor_group *g)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < g->count; i++)
        n += __atomic_load_n(&script.writes[dx_reactor_group_worker(g, i)->reactor.wake_fd_], __ATOMIC_SEQ_CST);
    return n;
}

static uint32_t woken;

static void parent_run(dx_reactor_task *task, dx_reactor_worker *w)
{
    const uint32_t before = writes_to_others(w->group);
    (void)task;
    child.fn = child_run;
    if (dx_reactor_worker_push(w, &child) == DX_REACTOR_OK)
        __atomic_store_n(&woken, writes_to_others(w->group) - before, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&ran, 1, __ATOMIC_SEQ_CST);
}

/* One task in a deque is work for one: if all workers sleep, one is woken. */
DX_TEST(a_push_wakes_one_worker)
{
    static dx_reactor_group g;
    dx_reactor_group_desc desc;
    dx_reactor_task parent;
    bool woke = false;
    script_start();
    memset(&desc, 0, sizeof desc);
    memset(&parent, 0, sizeof parent);
    parent.fn = parent_run;
    desc.workers = 4;
    desc.fixed = true;
    desc.memory_size = dx_reactor_group_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    DX_CHECK_EQ(dx_reactor_group_start(&g, &desc), 0);
    for (int i = 0; i < 200 && !(woke && i > 20); i++) {
        usleep(i < 20 ? 5000 : 20000); /* they fall asleep */
        __atomic_store_n(&ran, 0, __ATOMIC_SEQ_CST);
        DX_CHECK_EQ(dx_reactor_group_submit(&g, 0, &parent), 0);
        while (__atomic_load_n(&ran, __ATOMIC_SEQ_CST) < 2) usleep(100);
        DX_CHECK(__atomic_load_n(&woken, __ATOMIC_SEQ_CST) <= 1);
        woke |= __atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 1;
    }
    dx_reactor_group_stop(&g);
    DX_CHECK_EQ(dx_reactor_group_join(&g), 0);
    DX_CHECK(woke);
    free(desc.memory);
}

/* >>calls ------------------------------------------------------------------ */
/* epoll registers a waiting descriptor once, and checks it again only if the number may belong to another by now. */
DX_TEST(what_waits_costs_one_epoll_ctl)
{
    loop l = {0};
    dx_op in = tagged(1), ready = tagged(2);
    dx_completion ended;
    char bytes[8];
    int fds[2];
    uint32_t before;
    script_start();
    loop_open(&l, DX_REACTOR_BACKEND_EPOLL);
    pair(fds);
    before = script.controls;
    for (uint32_t round = 0; round < 3; round++) {
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &in, fds[0], bytes, 8), 0);
        nothing(&l);
        DX_CHECK_EQ(script.controls, before + round + 1); /* nothing was pending: the registration is verified */
        DX_CHECK_EQ(dx_reactor_poll(&l.r, &ready, fds[0], DX_REACTOR_READABLE), 0);
        nothing(&l);
        DX_CHECK_EQ(script.controls, before + round + 1); /* something was: no check needed */
        DX_CHECK_EQ(write(fds[1], "bytes", 5), 5);
        for (int i = 0; i < 2; i++) DX_CHECK_EQ(some(&l, &ended, 1), 1);
        DX_CHECK_EQ(script.controls, before + round + 1);
    }
    loop_close(&l);
}

/* A system that itself ends a cancelled operation may have moved a part of it (IOCP, io_uring): the operation ends with
   that count, and nothing more is sent or read. */
DX_TEST(a_cancelled_operation_has_ended_with_the_part_that_it_moved)
{
    static const struct { uint8_t kind; int32_t result; uint32_t done; } cases[] = {
        {DX_REACTOR_P_SEND, 4, 4},  {DX_REACTOR_P_WRITE, 4, 4},       {DX_REACTOR_P_PREAD, 4, 4},
        {DX_REACTOR_P_PWRITE, 4, 4}, {DX_REACTOR_P_RECV, -EINTR, 0}, {DX_REACTOR_P_ACCEPT, -ECONNABORTED, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int cancelled = 0; cancelled < 2; cancelled++) {
            dx_op op = tagged(1);
            int32_t result = cases[i].result;
            op.kind_ = cases[i].kind;
            op.u_.bytes.size = 10;
            op.flags_ = cancelled ? DX_REACTOR_P_F_CANCEL : 0;
            DX_CHECK_EQ(dx_reactor_p_progress(&op, &result), cancelled);
            if (cancelled) DX_CHECK_EQ(result, -ECANCELED);
            DX_CHECK_EQ(dx_reactor_op_transferred(&op), cases[i].done);
        }
}

/* If threads cannot be created, the group does not start, and those already created have ended. */
EVERY(a_group_whose_threads_cannot_all_be_made)
{
    for (int made = 0; made < 4; made++) {
        dx_reactor_group g;
        dx_reactor_group_desc desc;
        memset(&desc, 0, sizeof desc);
        script_start();
        desc.workers = 4;
        desc.fixed = true;
        desc.reactor.backend = backend;
        desc.memory_size = dx_reactor_group_memory_size(&desc);
        desc.memory = malloc(desc.memory_size);
        script.threads = made + 1;
        DX_CHECK_EQ(dx_reactor_group_start(&g, &desc), DX_REACTOR_ESYS);
        DX_CHECK_EQ(g.count, (uint32_t)made);
        free(desc.memory);
    }
}
