/* Defects of other event loops, absent here: the items of the list E1 to E22 that
   tests/cores/test_reactor.c and tests/ports/conform.c do not have, and this one's own regressions.
   Also: nothing is ever allocated. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "reactor_kit.h"

/* >>defects ------------------------------------------------------------ */
static uint64_t waits(const loop *l)
{
    dx_reactor_stats stats;
    dx_reactor_get_stats(&l->r, &stats);
    return stats.system_waits;
}

static void stop_here(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)op;
    (void)result;
    (void)flags;
    dx_reactor_stop(r);
}

/* A stop from a callback ends one run, and nothing else: no later wait returns early. */
EVERY(a_stop_leaves_no_wake_behind)
{
    loop l = {0};
    dx_op op, late = tagged(2);
    dx_completion c;
    uint64_t start;
    loop_open(&l, backend);
    dx_reactor_op_init(&op, stop_here, NULL);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &op, 0), 0);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &late, 60 * S), 0);
    DX_CHECK_EQ(dx_reactor_run(&l.r), 0);
    start = now_ns();
    for (int i = 0; i < 8; i++) dx_reactor_wait(&l.r, &c, 1, 10 * (int64_t)MS);
    DX_CHECK(now_ns() - start >= 40 * MS); /* some may be signals of the kernel's own */
    dx_reactor_stop(&l.r); /* before a run: that run returns at once */
    DX_CHECK_EQ(dx_reactor_run(&l.r), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &late), 0);
    DX_CHECK_EQ(dx_reactor_run(&l.r), 0);
    DX_CHECK_EQ(dx_reactor_pending(&l.r), 0);
    loop_close(&l);
}

static void wake_and_stop(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)op;
    (void)result;
    (void)flags;
    dx_reactor_stop(r);
    dx_reactor_wake(r);
}

/* A wake without a waiter does not make a close poll. */
EVERY(a_wake_does_not_make_close_poll)
{
    loop l = {0};
    dx_op ops[8];
    int fds[8][2];
    char bytes[8];
    uint64_t before;
    loop_open(&l, backend);
    for (int i = 0; i < 8; i++) {
        pair(fds[i]);
        dx_reactor_op_init(&ops[i], wake_and_stop, NULL);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], &bytes[i], 1), 0);
    }
    DX_CHECK_EQ(dx_reactor_submit(&l.r), 8);
    dx_reactor_wake(&l.r);
    before = waits(&l);
    DX_CHECK_EQ(dx_reactor_close(&l.r), 0);
    DX_CHECK(l.r.stats_.system_waits - before <= 10);
    for (size_t i = 0; i < 8; i++)
        if (loops_open[i] == &l) loops_open[i] = NULL;
    free(l.desc.memory);
}

/* A wait for several sleeps until they have come; it does not poll every few milliseconds. */
EVERY(rx_8_a_wait_for_several_sleeps)
{
    loop l = {0};
    dx_op ops[3];
    dx_completion out[3];
    uint64_t before;
    int fds[2];
    char bytes[2];
    loop_open(&l, backend);
    pair(fds);
    for (size_t i = 0; i < 2; i++) {
        ops[i] = tagged(i);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i], &bytes[i], 1), 0);
    }
    before = waits(&l);
    DX_CHECK_EQ(dx_reactor_submit_and_wait(&l.r, out, 3, 2, 200 * (int64_t)MS), 0);
    DX_CHECK(waits(&l) - before <= 6);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[0]), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[1]), 0);
    DX_CHECK_EQ(dx_reactor_submit_and_wait(&l.r, out, 3, 2, LONG), 2);
    loop_close(&l);
}

/* The connect reports the error of a refused connection, whatever else waits for it. */
EVERY(a_refused_connect_with_a_pending_recv)
{
    for (int round = 0; round < 20; round++) {
        loop l = {0};
        dx_op connect_op = tagged(1), recv_op = tagged(2);
        dx_reactor_address at;
        dx_completion c[2];
        char byte;
        int listening, fd, seen = 0;
        loop_open(&l, backend);
        listening = listener(&l, &at);
        shut(listening); /* the listener is closed */
        DX_CHECK_EQ(dx_reactor_socket(&l.r, &at, 0, &fd), 0);
        keep(fd);
        DX_CHECK_EQ(dx_reactor_connect(&l.r, &connect_op, fd, &at), 0);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, fd, &byte, 1), 0);
        while (seen < 2) {
            int count = some(&l, c, 1);
            DX_CHECK_EQ(count, 1);
            seen++;
            if (c[0].user_data == 1) DX_CHECK_EQ(c[0].result, -ECONNREFUSED);
            else DX_CHECK(c[0].result == -ENOTCONN || c[0].result == 0);
        }
        loop_close(&l);
        clean();
    }
}

/* A recv started before the connection is established gets its bytes. */
EVERY(a_recv_may_be_started_behind_a_connect)
{
    loop l = {0};
    dx_op accept_op = tagged(1), connect_op = tagged(2), recv_op = tagged(3);
    dx_reactor_address at;
    dx_completion c;
    char text[5];
    int fd, seen = 0, listening;
    loop_open(&l, backend);
    listening = listener(&l, &at);
    DX_CHECK_EQ(dx_reactor_socket(&l.r, &at, 0, &fd), 0);
    keep(fd);
    DX_CHECK_EQ(dx_reactor_connect(&l.r, &connect_op, fd, &at), 0);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, fd, text, sizeof text), 0);
    DX_CHECK_EQ(dx_reactor_accept(&l.r, &accept_op, listening), 0);
    while (seen < 3) {
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        seen++;
        if (c.user_data == 1) DX_CHECK_EQ(write(keep(c.result), "hello", 5), 5);
        if (c.user_data == 3) DX_CHECK_EQ(c.result, 5);
    }
    DX_CHECK_MEM(text, "hello", 5);
    loop_close(&l);
}

/* >>peers -------------------------------------------------------------- */
/* E9: polling without waiting leaves no registration that could complete into freed memory. */
EVERY(e_09_a_look_leaves_no_dangling_registration)
{
    loop l = {0};
    int fds[2];
    char byte;
    loop_open(&l, backend);
    pair(fds);
    for (int round = 0; round < 50; round++) {
        dx_op *op = malloc(sizeof *op); /* the sanitizer sees a use after free */
        dx_completion c;
        DX_CHECK(op != NULL);
        *op = tagged(1);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, op, fds[0], &byte, 1), 0);
        DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, 0), 0);
        DX_CHECK_EQ(dx_reactor_cancel(&l.r, op), 0);
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.result, -ECANCELED);
        free(op);
        DX_CHECK_EQ(write(fds[1], "x", 1), 1);
        nothing(&l);
        DX_CHECK_EQ(read(fds[0], &byte, 1), 1); /* it was not consumed */
    }
    loop_close(&l);
}

/* E14: a transfer received piece by piece is intact at every size. */
EVERY(e_14_pieces_of_any_size_arrive_unchanged)
{
    loop l = {0};
    dx_op send_op = tagged(1), recv_op = tagged(2);
    static uint8_t sent[100000], got[100000];
    uint32_t have = 0, size = 1;
    bool ended = false;
    int ends[2];
    loop_open(&l, backend);
    tcp_pair(&l, ends);
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (uint8_t)(i * 13 + i / 251);
    DX_CHECK_EQ(dx_reactor_send(&l.r, &send_op, ends[0], sent, sizeof sent), 0);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], got, size), 0);
    while (!ended || have < sizeof sent) {
        dx_completion c;
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        if (c.user_data == 1) {
            DX_CHECK_EQ(c.result, (int)sizeof sent);
            ended = true;
            continue;
        }
        DX_CHECK(c.result > 0 && (uint32_t)c.result <= size);
        have += (uint32_t)c.result;
        size = size * 3 % 4099 + 1;
        if (size > sizeof got - have) size = (uint32_t)(sizeof got - have);
        if (size) DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], got + have, size), 0);
    }
    DX_CHECK_MEM(got, sent, sizeof sent);
    loop_close(&l);
}

/* E18: the caller may change the bytes as soon as the send completes, and no later content is sent. */
EVERY(e_18_a_buffer_is_the_callers_at_its_completion)
{
    loop l = {0};
    dx_op op = tagged(1);
    static uint8_t block[65536], got[65536];
    int ends[2];
    loop_open(&l, backend);
    tcp_pair(&l, ends);
    for (int round = 1; round < 20; round++) {
        size_t have = 0;
        memset(block, round, sizeof block);
        DX_CHECK_EQ(dx_reactor_send(&l.r, &op, ends[0], block, sizeof block), 0);
        while (have < sizeof got) {
            dx_completion c;
            ssize_t n = read(ends[1], got + have, sizeof got - have);
            if (n > 0) have += (size_t)n;
            if (dx_reactor_wait(&l.r, &c, 1, 0) == 1) {
                DX_CHECK_EQ(c.result, (int)sizeof block);
                memset(block, 0xee, sizeof block);
            }
        }
        if (dx_reactor_op_pending(&op)) DX_CHECK_EQ(want(&l, &op), (int)sizeof block);
        for (size_t i = 0; i < sizeof got; i++)
            if (got[i] != round) DX_CHECK_EQ(got[i], round);
    }
    loop_close(&l);
}

/* E18, zero copy: one completion, after the kernel has released the bytes; only io_uring may report
   that there was no copy. */
EVERY(e_18_without_a_copy_there_is_one_completion_when_the_buffer_is_free)
{
    loop l = {0};
    dx_op op = tagged(1);
    static uint8_t block[1 << 20], got[1 << 20];
    int ends[2];
    loop_open(&l, backend);
    tcp_pair(&l, ends);
    for (int round = 1; round < 12; round++) {
        size_t have = 0, size = round == 1 ? 1 : sizeof block >> (round & 3);
        int completions = 0;
        memset(block, round, size);
        DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], block, (uint32_t)size), 0);
        while (have < size || !completions) {
            dx_completion c;
            ssize_t n = have < size ? read(ends[1], got + have, size - have) : 0;
            if (n > 0) have += (size_t)n;
            if (dx_reactor_wait(&l.r, &c, 1, have == size ? 1000 * MS : 0) != 1) continue;
            DX_CHECK_EQ(++completions, 1);
            DX_CHECK_EQ(c.result, (int)size);
            DX_CHECK(c.flags == 0 || (backend == DX_REACTOR_BACKEND_IO_URING && c.flags == DX_REACTOR_F_UNCOPIED));
            DX_CHECK_EQ(dx_reactor_op_transferred(&op), size);
            memset(block, 0xee, size);
        }
        for (size_t i = 0; i < size; i++)
            if (got[i] != round) DX_CHECK_EQ(got[i], round);
    }
    DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], block, 0), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, 9999, block, 5), 0);
    DX_CHECK_EQ(want(&l, &op), -EBADF);
    loop_close(&l);
}

/* A socket without zero-copy support gets a plain send; so does one whose peer has gone. */
EVERY(e_18_without_a_copy_falls_back_and_fails_like_a_send)
{
    loop l = {0};
    dx_op op = tagged(1);
    uint8_t byte[8] = "1234567";
    int fds[2], ends[2];
    loop_open(&l, backend);
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    keep(fds[0]);
    keep(fds[1]);
    DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, fds[0], byte, 8), 0);
    DX_CHECK_EQ(want(&l, &op), 8);
    DX_CHECK_EQ(read(fds[1], byte, 8), 8);
    tcp_pair(&l, ends);
    DX_CHECK_EQ(shutdown(ends[0], SHUT_WR), 0);
    DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], byte, 8), 0);
    DX_CHECK_EQ(want(&l, &op), -EPIPE);
    DX_CHECK_EQ(dx_reactor_op_transferred(&op), 0);
    loop_close(&l);
}

/* The peer does not read, so the kernel keeps the buffer: closing the descriptor, or the reactor, still
   ends the operation at once. */
EVERY(e_18_without_a_copy_a_close_gets_the_buffer_back)
{
    for (int whole = 0; whole < 2; whole++) {
        loop l = {0};
        dx_op op = tagged(1), close_op = tagged(2);
        static uint8_t block[400000];
        int ends[2], size = 4096, large = 4 << 20;
        uint64_t start;
        loop_open(&l, backend);
        tcp_pair(&l, ends);
        setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
        DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], block, sizeof block), 0);
        const bool lends = backend == DX_REACTOR_BACKEND_IO_URING && l.r.ring_.zero_copy && !l.r.ring_.no_reports;
        start = now_ns();
        for (int i = 0; i < 3 || (lends && !(op.flags_ & DX_REACTOR_P_F_LENT) && now_ns() - start < LONG); i++) {
            dx_completion c;
            dx_reactor_wait(&l.r, &c, 1, 10 * MS);
        }
        if (lends) DX_CHECK(dx_reactor_op_pending(&op) && (op.flags_ & DX_REACTOR_P_F_LENT));
        start = now_ns();
        if (!whole) {
            forget_fd(ends[0]);
            DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &close_op, ends[0]), 0);
            while (dx_reactor_op_pending(&close_op)) {
                dx_completion c;
                DX_CHECK_EQ(some(&l, &c, 1), 1);
                if (c.user_data == 2) DX_CHECK_EQ(c.result, 0);
            }
            DX_CHECK(!dx_reactor_op_pending(&op));
        }
        loop_close(&l);
        DX_CHECK(!dx_reactor_op_pending(&op));
        DX_CHECK(now_ns() - start < LONG);
    }
}

/* E22: the purpose of io_uring is fewer system calls, and it makes fewer. 64 echoes in rounds. */
static uint64_t echo_waits(int backend)
{
    enum { N = 64, ROUNDS = 50 };
    loop l = {0};
    static dx_op ops[N];
    static int fds[N][2];
    static char bytes[N];
    dx_completion out[N];
    uint64_t before;
    clean();
    if (!loop_try(&l, backend)) return UINT64_MAX;
    for (size_t i = 0; i < N; i++) {
        pair(fds[i]);
        ops[i] = tagged(i);
    }
    before = waits(&l);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < N; i++)
            DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], &bytes[i], 1), 0);
        for (size_t i = 0; i < N; i++) DX_CHECK_EQ(write(fds[i][1], "x", 1), 1);
        DX_CHECK_EQ(dx_reactor_submit_and_wait(&l.r, out, N, N, LONG), N);
    }
    before = waits(&l) - before;
    loop_close(&l);
    return before;
}

DX_TEST(e_22_io_uring_takes_many_operations_in_one_system_call)
{
    uint64_t ring = echo_waits(DX_REACTOR_BACKEND_IO_URING);
    DX_CHECK(ring != UINT64_MAX || !system_has(DX_REACTOR_BACKEND_IO_URING, false));
    if (ring == UINT64_MAX) DX_SKIP("no io_uring");
    DX_CHECK(ring <= 50 * 3); /* for 64 receives each */
}

/* >>semantics ---------------------------------------------------------- */
static void re_enter(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_completion out;
    int *codes = dx_reactor_op_user(op);
    (void)result;
    (void)flags;
    codes[0] = dx_reactor_wait(r, &out, 1, 0);
    codes[1] = dx_reactor_run_once(r, 0);
    codes[2] = dx_reactor_run(r);
    codes[3] = dx_reactor_close(r);
    codes[4] = dx_reactor_submit(r);
}

EVERY(a_function_may_start_and_must_not_wait)
{
    loop l = {0};
    dx_op op;
    int codes[5] = {0};
    loop_open(&l, backend);
    dx_reactor_op_init(&op, re_enter, codes);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &op, 0), 0);
    DX_CHECK_EQ(dx_reactor_run(&l.r), 0);
    for (int i = 0; i < 4; i++) DX_CHECK_EQ(codes[i], DX_REACTOR_EREENTRY);
    DX_CHECK_EQ(codes[4], 0);
    loop_close(&l);
}

/* A child that does not use the reactor does not disturb it, even when it closes what it inherited. */
EVERY(a_fork_does_the_parent_no_harm)
{
    loop l = {0};
    dx_op op = tagged(1);
    int fds[2], status;
    char byte;
    pid_t child;
    loop_open(&l, backend);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], &byte, 1), 0);
    nothing(&l);
    child = fork();
    if (child == 0) {
        for (int fd = 3; fd < 200; fd++) close(fd);
        _exit(0);
    }
    DX_CHECK(child > 0);
    DX_CHECK_EQ(waitpid(child, &status, 0), child);
    DX_CHECK_EQ(write(fds[1], "x", 1), 1);
    DX_CHECK_EQ(want(&l, &op), 1);
    loop_close(&l);
}

static void count_signal(int number)
{
    (void)number;
}

/* Signals during every call change no result. */
EVERY(signals_during_every_call)
{
    loop l = {0};
    dx_op send_op = tagged(1), recv_op = tagged(2);
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    struct sigaction action;
    static uint8_t block[50000], got[50000];
    int ends[2];
    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    loop_open(&l, backend);
    tcp_pair(&l, ends);
    DX_CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    DX_CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int round = 0; round < 100; round++) {
        uint32_t have = 0;
        bool sent = false;
        memset(block, round, sizeof block);
        DX_CHECK_EQ(dx_reactor_send(&l.r, &send_op, ends[0], block, sizeof block), 0);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], got, sizeof got), 0);
        while (!sent || have < sizeof got) {
            dx_completion c;
            int count = dx_reactor_wait(&l.r, &c, 1, (int64_t)S);
            DX_CHECK(count >= 0);
            if (!count) continue;
            DX_CHECK(c.result > 0);
            if (c.user_data == 1) sent = true;
            else have += (uint32_t)c.result;
            if (c.user_data == 2 && have < sizeof got)
                DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], got + have,
                                            (uint32_t)sizeof got - have), 0);
        }
        DX_CHECK_MEM(got, block, sizeof got);
    }
    DX_CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    signal(SIGALRM, SIG_DFL);
    loop_close(&l);
}

/* >>spin --------------------------------------------------------------- */
static void *post_many(void *user)
{
    dx_reactor *r = user;
    for (uint64_t i = 0; i < 2000; i++) {
        dx_reactor_message m = {{i, 0, 0}};
        while (dx_reactor_post(r, &m) == DX_REACTOR_EAGAIN) sched_yield();
        if (i % 100 == 0) usleep(200);
    }
    return NULL;
}

/* Spinning before sleeping changes no result: timeouts, messages, timers, wakes, data. */
EVERY(a_spinning_wait_is_a_wait)
{
    loop l = {0};
    dx_op timer = tagged(1), recv_op = tagged(2), inbox = tagged(3);
    dx_completion c;
    dx_reactor_message got[8];
    pthread_t thread;
    uint64_t start, next = 0;
    char byte;
    int fds[2];
    l.desc.spin_ns = 300000;
    loop_open(&l, backend);
    pair(fds);
    start = now_ns();
    while (now_ns() - start < 100000) {} /* wait for signals of rings closed before */
    dx_reactor_wait(&l.r, &c, 1, 1000);
    start = now_ns();
    for (int i = 0; i < 6; i++) DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, (i % 2 ? 100000 : 900000)), 0);
    DX_CHECK(now_ns() - start >= 2 * 900000u);
    DX_CHECK(now_ns() - start < LONG);
    start = now_ns();
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer, 150000), 0); /* due while it spins */
    DX_CHECK_EQ(want(&l, &timer), 0);
    DX_CHECK(now_ns() - start >= 150000);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, fds[0], &byte, 1), 0);
    DX_CHECK_EQ(write(fds[1], "x", 1), 1);
    DX_CHECK_EQ(want(&l, &recv_op), 1);
    dx_reactor_wake(&l.r);
    DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, DX_REACTOR_FOREVER), 0);
    DX_CHECK_EQ(pthread_create(&thread, NULL, post_many, &l.r), 0);
    while (next < 2000) {
        DX_CHECK_EQ(dx_reactor_receive(&l.r, &inbox, got, 8), 0);
        int32_t count = want(&l, &inbox);
        DX_CHECK(count > 0);
        for (int32_t i = 0; i < count; i++) DX_CHECK_EQ(got[i].words[0], next++);
    }
    pthread_join(thread, NULL);
    loop_close(&l);
}
