/* A peer that does not read, signals, descriptors that change without the reactor's knowledge, and other threads must
   neither keep an operation from completing nor give it a wrong result. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Counts the header's own calls. */
static uint32_t seeks;

static off_t counted_lseek(int fd, off_t offset, int whence)
{
    seeks++;
    return lseek(fd, offset, whence);
}
#define lseek counted_lseek

#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#undef lseek
#define DX_TEST_MAIN
#include "../dx_test.h"

#include "reactor_kit.h"

/* Take completions until op has completed; *result is its result. */
static int32_t end_of(loop *l, const dx_op *op)
{
    uint64_t start = now_ns();
    int32_t result = INT32_MIN;
    while (dx_reactor_op_pending(op) && now_ns() - start < (uint64_t)LONG) {
        dx_completion c;
        if (dx_reactor_wait(&l->r, &c, 1, 100 * MS) == 1 && c.user_data == op->user_data)
            result = c.result;
    }
    DX_CHECK(!dx_reactor_op_pending(op));
    return result;
}

static int file_of(size_t size)
{
    FILE *file = tmpfile();
    int fd;
    DX_CHECK(file != NULL);
    fd = keep(dup(fileno(file)));
    fclose(file);
    DX_CHECK(fd >= 0);
    DX_CHECK_EQ(ftruncate(fd, (off_t)size), 0);
    return fd;
}

/* >>zero copy ---------------------------------------------------------- */
/* 4 MiB to a peer that reads nothing: more than the buffers in between hold. */
EVERY(zero_copy_ends_whatever_the_peer_does)
{
    enum { SIZE = 4 << 20, CLOSE_FD = 0, CANCEL, DEADLINE, CLOSE, WAYS };
    static uint8_t block[SIZE];
    for (int i = 0; i < 3 * WAYS; i++) {
        loop l = {0};
        dx_op op = tagged(1), other = tagged(2);
        int ends[2], way = i / 3;
        loop_open(&l, backend);
        tcp_pair(&l, ends);
        DX_CHECK_EQ(dx_reactor_send_zero_copy(&l.r, &op, ends[0], block, SIZE), 0);
        for (int turns = 0; turns < i % 3 * 4; turns++) { /* at different points of its progress */
            dx_completion c;
            DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, 2 * MS), 0);
        }
        if (way == CANCEL) {
            DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
            DX_CHECK_EQ(end_of(&l, &op), -ECANCELED);
        } else if (way == DEADLINE) {
            DX_CHECK_EQ(dx_reactor_deadline(&l.r, &other, &op, MS), 0);
            DX_CHECK_EQ(end_of(&l, &op), -ETIMEDOUT);
            DX_CHECK_EQ(end_of(&l, &other), 0);
        } else if (way == CLOSE_FD) {
            forget_fd(ends[0]);
            DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &other, ends[0]), 0);
            DX_CHECK_EQ(end_of(&l, &op), -ECANCELED);
            DX_CHECK_EQ(end_of(&l, &other), 0);
        }
        DX_CHECK(dx_reactor_op_transferred(&op) < SIZE);
        loop_close(&l);
        DX_CHECK(!dx_reactor_op_pending(&op));
        clean();
    }
}

/* >>signals ------------------------------------------------------------ */
static void on_alarm(int number)
{
    (void)number;
}

static void alarms(int microseconds)
{
    struct sigaction action;
    struct itimerval often = {{0, microseconds}, {0, microseconds}};
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* The kernel creates threads for file operations; a signal during that makes it cancel them. */
EVERY(signals_cancel_no_file_operation)
{
    enum { ROUNDS = 60, OPS = 32, SIZE = 4096 };
    static dx_op ops[2 * OPS];
    static uint8_t data[SIZE];
    uint32_t wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        loop l = {0};
        dx_completion c;
        int fd = file_of(0), left = 2 * OPS;
        loop_open(&l, backend);
        alarms(50);
        for (int i = 0; i < 2 * OPS; i++) {
            ops[i] = tagged((uint64_t)i);
            if (i % 2) DX_CHECK_EQ(dx_reactor_fsync(&l.r, &ops[i], fd, i % 4 == 1), 0);
            else DX_CHECK_EQ(dx_reactor_write(&l.r, &ops[i], fd, data, SIZE, (uint64_t)i * SIZE), 0);
        }
        while (left) {
            if (dx_reactor_wait(&l.r, &c, 1, LONG) != 1) continue;
            wrong += c.result != (c.user_data % 2 ? 0 : SIZE);
            left--;
        }
        alarms(0);
        loop_close(&l);
        shut(fd);
    }
    DX_CHECK_EQ(wrong, 0);
}

/* >>order -------------------------------------------------------------- */
/* The number of a closed connection goes to the next accepted one: its close is reported before the accept. */
EVERY(a_close_is_reported_before_its_number_is_another)
{
    uint32_t again = 0;
    for (int i = 0; i < 50; i++) {
        loop l = {0};
        dx_op accept_op = tagged(1), close_op = tagged(2), timer_op = tagged(3);
        dx_completion c[8];
        dx_reactor_address at;
        struct sockaddr_storage address;
        int first = -1, closed = 0, client[2];
        l.desc.descriptors_max = 1 + i % 2;
        loop_open(&l, backend);
        int listening = listener(&l, &at);
        memset(&address, 0, sizeof address);
        memcpy(&address, at.bytes, at.size);
        for (int k = 0; k < 2; k++) client[k] = keep(socket(AF_INET, SOCK_STREAM, 0));
        DX_CHECK_EQ(dx_reactor_accept_multishot(&l.r, &accept_op, listening), 0);
        DX_CHECK_EQ(connect(client[0], (struct sockaddr *)&address, at.size), 0);
        DX_CHECK_EQ(some(&l, c, 1), 1);
        first = c[0].result;
        DX_CHECK(first >= 0);
        DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer_op, 0), 0); /* then the accept has its turn */
        DX_CHECK_EQ(want(&l, &timer_op), 0);
        DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &close_op, first), 0);
        DX_CHECK_EQ(connect(client[1], (struct sockaddr *)&address, at.size), 0);
        for (int seen = 0; seen < 2;) {
            int n = some(&l, c, 8);
            for (int k = 0; k < n; k++, seen++) {
                if (c[k].user_data == 2) closed = 1;
                if (c[k].user_data == 1) again += c[k].result == first;
                if (c[k].user_data == 1 && c[k].result == first) DX_CHECK(closed);
                if (c[k].user_data == 1) keep(c[k].result);
            }
        }
        loop_close(&l);
        clean();
    }
    DX_CHECK(again > 0);
}

/* A receive, then one into the pool: their bytes are delivered in the order of the stream. */
EVERY(bytes_for_the_pool_do_not_overtake_an_earlier_receive)
{
    loop l = {0};
    dx_op op = tagged(1), pooled = tagged(2), timer_op = tagged(3);
    dx_completion c;
    char byte = 0;
    int fds[2];
    l.desc.buffer_count = 8;
    loop_open(&l, backend);
    pair(fds);
    for (int i = 0; i < 4; i++) {
        DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer_op, 0), 0);
        DX_CHECK_EQ(want(&l, &timer_op), 0); /* no completion after the terminal one */
        DX_CHECK_EQ(write(fds[1], "abc", 3), 3);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], &byte, 1), 0);
        DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &pooled, fds[0]), 0);
        for (int looks = 0; looks < 4; looks++) dx_reactor_submit(&l.r);
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK(c.user_data == 1 && byte == 'a');
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK(c.user_data == 2 && c.result == 2);
        DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, c.flags), 0);
        DX_CHECK_EQ(dx_reactor_cancel(&l.r, &pooled), 0);
        DX_CHECK_EQ(want(&l, &pooled), -ECANCELED);
    }
    loop_close(&l);
}

/* A deadline's completion directly follows its target's. */
EVERY(a_deadline_ends_directly_behind_its_target)
{
    for (int way = 0; way < 4; way++) {
        loop l = {0};
        dx_op ops[6], limits[6];
        uint64_t order[12];
        int fds[6][2];
        uint8_t bytes[6];
        int count = 0;
        loop_open(&l, backend);
        for (int i = 0; i < 6; i++) {
            pair(fds[i]);
            ops[i] = tagged((uint64_t)i);
            limits[i] = tagged(100 + (uint64_t)i);
            DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], &bytes[i], 1), 0);
            DX_CHECK_EQ(dx_reactor_deadline(&l.r, &limits[i], &ops[i], way ? 3600 * S : (uint64_t)(5 - i) * MS), 0);
        }
        for (int i = 0; i < 6 && way; i++) {
            if (way == 1) DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[i]), 0);
            if (way == 2) DX_CHECK_EQ(write(fds[i][1], "x", 1), 1);
            if (way == 3) DX_CHECK_EQ(shutdown(fds[i][1], SHUT_WR), 0);
        }
        while (count < 12) {
            dx_completion c;
            DX_CHECK_EQ(some(&l, &c, 1), 1);
            order[count++] = c.user_data;
            if (way == 0) DX_CHECK_EQ(c.result, c.user_data < 100 ? -ETIMEDOUT : 0);
            else if (c.user_data >= 100) DX_CHECK_EQ(c.result, -ECANCELED);
        }
        for (int i = 0; i < 12; i += 2) DX_CHECK_EQ(order[i] + 100, order[i + 1]);
        loop_close(&l);
        clean();
    }
}

static uint64_t called[8];
static int      calls;

static void note_call(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)result, (void)flags;
    called[calls++] = op->user_data;
}

EVERY(a_deadline_ends_behind_its_target_when_the_reactor_closes)
{
    loop l = {0};
    dx_op op = tagged(1), limit = tagged(2);
    uint8_t byte;
    int fds[2];
    loop_open(&l, backend);
    pair(fds);
    op.fn = limit.fn = note_call;
    calls = 0;
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], &byte, 1), 0);
    DX_CHECK_EQ(dx_reactor_deadline(&l.r, &limit, &op, S), 0);
    loop_close(&l);
    DX_CHECK_EQ(calls, 2);
    DX_CHECK(called[0] == 1 && called[1] == 2);
}

/* >>threads ------------------------------------------------------------ */
static void *echo_once(void *user)
{
    loop *l = (loop *)user;
    dx_op op = tagged(1), send_op = tagged(2);
    dx_completion c;
    char byte = 0;
    int fds[2], seen = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) return NULL;
    if (dx_reactor_recv(&l->r, &op, fds[0], &byte, 1) != 0) return NULL;
    if (dx_reactor_send(&l->r, &send_op, fds[1], "x", 1) != 0) return NULL;
    while (seen < 2) {
        int n = dx_reactor_wait(&l->r, &c, 1, LONG);
        if (n < 0) return NULL;
        if (n == 1 && c.result != 1) return NULL;
        seen += n;
    }
    close(fds[0]);
    close(fds[1]);
    return byte == 'x' && dx_reactor_close(&l->r) == 0 ? user : NULL;
}

/* A reactor belongs to the thread that uses it first, not to the one that opened it. */
EVERY(opened_on_one_thread_used_on_another)
{
    loop l = {0};
    pthread_t thread;
    void *good = NULL;
    l.desc.buffer_count = 8;
    loop_open(&l, backend);
    DX_CHECK_EQ(pthread_create(&thread, NULL, echo_once, &l), 0);
    pthread_join(thread, &good);
    DX_CHECK(good != NULL);
    loop_close(&l);
}

/* >>system calls ------------------------------------------------------- */
static void *write_slowly(void *user)
{
    int (*fds)[2] = (int (*)[2])user;
    for (int i = 0; i < 64; i++) {
        usleep(300);
        if (write(fds[i][1], "x", 1) != 1) return user;
    }
    return NULL;
}

DX_TEST(a_wait_for_64_completions_is_one_call)
{
    static int fds[64][2];
    static dx_op ops[64];
    static dx_completion done[64];
    static char bytes[64];
    loop l = {0};
    dx_reactor_stats before, after;
    clean();
    loop_open(&l, DX_REACTOR_BACKEND_IO_URING);
    for (int slow = 0; slow < 2; slow++) {
        pthread_t thread;
        for (int i = 0; i < 64; i++) {
            if (!slow) pair(fds[i]);
            ops[i] = tagged((uint64_t)i);
            DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], &bytes[i], 1), 0);
        }
        dx_reactor_get_stats(&l.r, &before);
        if (slow) DX_CHECK_EQ(pthread_create(&thread, NULL, write_slowly, fds), 0);
        for (int i = 0; i < 64 && !slow; i++) DX_CHECK_EQ(write(fds[i][1], "x", 1), 1);
        DX_CHECK_EQ(dx_reactor_submit_and_wait(&l.r, done, 64, 64, LONG), 64);
        if (slow) pthread_join(thread, NULL);
        dx_reactor_get_stats(&l.r, &after);
        DX_CHECK(after.system_waits - before.system_waits <= (slow ? 8 : 1));
    }
    loop_close(&l);
}

EVERY(offsets_are_looked_for_once)
{
    enum { N = 1000 };
    loop l = {0};
    static dx_op ops[N];
    static uint8_t bytes[N];
    static dx_completion c[N];
    uint32_t got = 0;
    int fd = file_of(N);
    l.desc.file_threads = 1;
    loop_open(&l, backend);
    seeks = 0;
    for (uint32_t i = 0; i < N; i++) {
        ops[i] = tagged(i);
        DX_CHECK_EQ(dx_reactor_read(&l.r, &ops[i], fd, &bytes[i], 1, i), 0);
    }
    while (got < N) {
        int n = some(&l, c, N);
        for (int i = 0; i < n; i++) DX_CHECK_EQ(c[i].result, 1);
        got += (uint32_t)n;
    }
    for (uint32_t i = 0; i < N; i++) {
        DX_CHECK_EQ(dx_reactor_read(&l.r, &ops[i], fd, &bytes[i], 1, i), 0);
        DX_CHECK_EQ(want(&l, &ops[i]), 1);
    }
    DX_CHECK(seeks <= 1);
    loop_close(&l);
}

/* >>descriptors -------------------------------------------------------- */
/* A descriptor is closed by close(2) without telling the reactor, and another gets its number. */
EVERY(a_number_comes_back_without_a_word)
{
    for (int i = 0; i < 24; i++) {
        loop l = {0};
        dx_op op = tagged(1), other = tagged(2);
        uint8_t bytes[64];
        int fds[2], ends[2], number;
        loop_open(&l, backend);
        if (i & 1) tcp_pair(&l, fds);
        else pair(fds);
        number = fds[0];
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, number, bytes, 64), 0);
        nothing(&l); /* it is registered */
        DX_CHECK_EQ(write(fds[1], "abc", 3), 3);
        DX_CHECK_EQ(want(&l, &op), 3); /* and known to be empty */
        nothing(&l);
        if (i & 2) DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        else DX_CHECK_EQ(pipe2(ends, (i & 4) ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK), 0);
        close(number);
        DX_CHECK_EQ(dup2(ends[0], number), number);
        close(ends[0]);
        keep(ends[1]);
        if (i & 2) DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, number, bytes, 64), 0);
        else DX_CHECK_EQ(dx_reactor_read(&l.r, &op, number, bytes, 64, DX_REACTOR_NO_OFFSET), 0);
        if (i & 8) nothing(&l);
        DX_CHECK_EQ(write(ends[1], "hello", 5), 5);
        DX_CHECK_EQ(want(&l, &op), 5);
        DX_CHECK_MEM(bytes, "hello", 5);
        if (i >= 16) { /* and once more, on the registration that is armed now */
            DX_CHECK_EQ(dx_reactor_read(&l.r, &op, number, bytes, 64, DX_REACTOR_NO_OFFSET), 0);
            DX_CHECK_EQ(dx_reactor_poll(&l.r, &other, number, DX_REACTOR_READABLE), 0);
            nothing(&l);
            DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
            DX_CHECK_EQ(want(&l, &op), -ECANCELED);
            DX_CHECK_EQ(write(ends[1], "x", 1), 1);
            DX_CHECK_EQ(want(&l, &other) & DX_REACTOR_READABLE, DX_REACTOR_READABLE);
        }
        loop_close(&l);
        clean();
    }
}

/* AUTO's choice makes no difference: without thread options, files and blocking pipes work. */
EVERY(files_and_inherited_pipes_need_no_option)
{
    loop l = {0};
    dx_op op = tagged(1), writing = tagged(2);
    static uint8_t data[200000], back[200000];
    int fd = file_of(0), fds[2];
    uint32_t got = 0;
    loop_open(&l, backend);
    for (uint32_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 2654435761u >> 24);
    DX_CHECK_EQ(dx_reactor_write(&l.r, &op, fd, data, sizeof data, 3), 0);
    DX_CHECK_EQ(want(&l, &op), sizeof data);
    DX_CHECK_EQ(dx_reactor_fsync(&l.r, &op, fd, true), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fd, back, sizeof back, 3), 0);
    DX_CHECK_EQ(want(&l, &op), sizeof back);
    DX_CHECK_MEM(data, back, sizeof data);
    memset(back, 0, sizeof back);
    DX_CHECK_EQ(pipe(fds), 0);
    keep(fds[0]);
    keep(fds[1]);
    DX_CHECK_EQ(dx_reactor_write(&l.r, &writing, fds[1], data, sizeof data, DX_REACTOR_NO_OFFSET), 0);
    while (got < sizeof data) { /* more than a pipe holds, both ends on this thread */
        dx_completion c;
        if (!dx_reactor_op_pending(&op))
            DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], back + got, 65536, DX_REACTOR_NO_OFFSET), 0);
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        if (c.user_data == 2) DX_CHECK_EQ(c.result, sizeof data);
        else got += c.result > 0 ? (uint32_t)c.result : 0;
    }
    DX_CHECK_MEM(data, back, sizeof data);
    if (dx_reactor_op_pending(&writing)) DX_CHECK_EQ(want(&l, &writing), sizeof data);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], back, 8, 7), 0);
    DX_CHECK_EQ(want(&l, &op), -ESPIPE);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], back, 8, DX_REACTOR_NO_OFFSET), 0);
    nothing(&l);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    shut(fds[1]);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], back, 8, DX_REACTOR_NO_OFFSET), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    loop_close(&l);
}

/* An inherited pipe is blocking, so it is polled before it is read; its write end never becomes readable. */
EVERY(the_wrong_end_of_a_blocking_pipe_says_so)
{
    loop l = {0};
    dx_op op = tagged(1);
    char byte = 'x';
    int fds[2];
    loop_open(&l, backend);
    DX_CHECK_EQ(pipe(fds), 0);
    keep(fds[0]);
    keep(fds[1]);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[1], &byte, 1, DX_REACTOR_NO_OFFSET), 0);
    DX_CHECK_EQ(want(&l, &op), -EBADF);
    DX_CHECK_EQ(dx_reactor_write(&l.r, &op, fds[0], &byte, 1, DX_REACTOR_NO_OFFSET), 0);
    DX_CHECK_EQ(want(&l, &op), -EBADF);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], &byte, 1, DX_REACTOR_NO_OFFSET), 0);
    nothing(&l);
    DX_CHECK_EQ(write(fds[1], "y", 1), 1);
    DX_CHECK_EQ(want(&l, &op), 1);
    DX_CHECK_EQ(byte, 'y');
    loop_close(&l);
}

/* lseek() succeeds on an eventfd; with and without threads for files. */
EVERY(an_eventfd_has_no_offsets)
{
    for (uint32_t threads = 1; threads <= 2; threads++) {
        loop l = {0};
        dx_op op = tagged(1);
        uint64_t value = 1;
        int fd = keep(eventfd(0, EFD_CLOEXEC));
        l.desc.file_threads = threads == 1 ? 1 : DX_REACTOR_NO_THREADS;
        loop_open(&l, backend);
        DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fd, &value, 8, 0), 0);
        DX_CHECK_EQ(want(&l, &op), -ESPIPE);
        DX_CHECK_EQ(dx_reactor_write(&l.r, &op, fd, &value, 8, 0), 0);
        DX_CHECK_EQ(want(&l, &op), -ESPIPE);
        DX_CHECK_EQ(dx_reactor_write(&l.r, &op, fd, &value, 8, DX_REACTOR_NO_OFFSET), 0);
        DX_CHECK_EQ(want(&l, &op), 8);
        loop_close(&l);
        shut(fd);
    }
}

/* More file operations than the threads' ring holds. */
EVERY(more_file_operations_than_threads_can_hold)
{
    enum { N = 5000 };
    loop l = {0};
    dx_op *ops = calloc(N, sizeof *ops);
    uint8_t *bytes = calloc(1, N);
    uint32_t ended = 0, canceled = 0;
    int fd = file_of(N);
    loop_open(&l, backend);
    for (uint32_t i = 0; i < N; i++) {
        ops[i] = tagged(i);
        DX_CHECK_EQ(dx_reactor_read(&l.r, &ops[i], fd, &bytes[i], 1, i), 0);
        if (i % 3 == 0 && i) dx_reactor_cancel(&l.r, &ops[i - 1]);
    }
    while (ended < N) {
        dx_completion c[64];
        int n = some(&l, c, 64);
        DX_CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            canceled += c[i].result == -ECANCELED;
            DX_CHECK(c[i].result == 1 || (c[i].result == -ECANCELED && c[i].user_data % 3 == 2));
        }
        ended += (uint32_t)n;
    }
    loop_close(&l);
    free(ops);
    free(bytes);
}

/* >>never ready -------------------------------------------------------- */
/* An operation that a kind of descriptor does not support ends with EINVAL, one that it was not opened for with EBADF;
   neither waits for readiness that never comes, whether or not the descriptor blocks. */
EVERY(what_never_becomes_ready_ends)
{
    loop l = {0};
    dx_op op = tagged(1);
    char bytes[8] = {0};
    loop_open(&l, backend);
    for (int blocking = 0; blocking < 2; blocking++) {
        sigset_t none;
        int timer = keep(timerfd_create(CLOCK_MONOTONIC, blocking ? 0 : TFD_NONBLOCK)), pipes[2];
        int notes = keep(inotify_init1(blocking ? 0 : IN_NONBLOCK));
        sigemptyset(&none);
        int signals = keep(signalfd(-1, &none, blocking ? 0 : SFD_NONBLOCK));
        int polls = keep(epoll_create1(0));
        const int writes[] = {timer, notes, signals, polls};
        /* the kernel waits for an event of an epoll instance there */
        const bool ring = backend == DX_REACTOR_BACKEND_IO_URING;
        for (size_t i = 0; i < 3 + (size_t)!ring; i++) {
            DX_CHECK(writes[i] >= 0);
            DX_CHECK_EQ(dx_reactor_write(&l.r, &op, writes[i], bytes, 8, DX_REACTOR_NO_OFFSET), 0);
            DX_CHECK_EQ(want(&l, &op), writes[i] == notes ? -EBADF : -EINVAL);
        }
        DX_CHECK_EQ(dx_reactor_read(&l.r, &op, polls, bytes, 8, DX_REACTOR_NO_OFFSET), 0);
        if (ring) DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
        DX_CHECK_EQ(want(&l, &op), ring ? -ECANCELED : -EINVAL);
        DX_CHECK_EQ(pipe2(pipes, blocking ? 0 : O_NONBLOCK), 0);
        keep(pipes[0]);
        keep(pipes[1]);
        DX_CHECK_EQ(dx_reactor_write(&l.r, &op, pipes[0], bytes, 8, DX_REACTOR_NO_OFFSET), 0);
        DX_CHECK_EQ(want(&l, &op), -EBADF);
        DX_CHECK_EQ(dx_reactor_read(&l.r, &op, pipes[1], bytes, 8, DX_REACTOR_NO_OFFSET), 0);
        DX_CHECK_EQ(want(&l, &op), -EBADF);
        DX_CHECK_EQ(dx_reactor_read(&l.r, &op, timer, bytes, 8, DX_REACTOR_NO_OFFSET), 0); /* it waits */
        nothing(&l);
        DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
        DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    }
    loop_close(&l);
}

/* >>datagrams ---------------------------------------------------------- */
EVERY(joined_datagrams_have_their_segment_size)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_reactor_address any, at;
    dx_reactor_datagram d;
    struct sockaddr_storage to;
    static uint8_t sent[3500], got[8192];
    int fd = -1, one = 1, segment = 1000, from = keep(socket(AF_INET, SOCK_DGRAM, 0));
    loop_open(&l, backend);
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_bind_udp(&l.r, &any, 0, &fd, &at), 0);
    keep(fd);
    if (setsockopt(fd, IPPROTO_UDP, 104 /* UDP_GRO */, &one, sizeof one) != 0 ||
        setsockopt(from, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &segment, sizeof segment) != 0)
        DX_SKIP("no UDP_GRO");
    if (!system_joins_datagrams()) DX_SKIP("the system does not join datagrams, or does not tell the size of the pieces");
    memset(&to, 0, sizeof to);
    memcpy(&to, at.bytes, at.size);
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (uint8_t)(i >> 4);
    for (int stamped = 0; stamped < 2; stamped++) {
        if (stamped) setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one);
        memset(&d, 0, sizeof d);
        d.data = got;
        d.size = sizeof got;
        DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &op, fd, &d), 0);
        if (stamped) nothing(&l);
        DX_CHECK_EQ(sendto(from, sent, sizeof sent, 0, (struct sockaddr *)&to, at.size), sizeof sent);
        DX_CHECK_EQ(want(&l, &op), sizeof sent);
        DX_CHECK_EQ(d.segment, 1000);
        DX_CHECK_MEM(sent, got, sizeof sent);
        DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &op, fd, &d), 0);
        DX_CHECK_EQ(sendto(from, sent, 700, 0, (struct sockaddr *)&to, at.size), 700);
        DX_CHECK_EQ(want(&l, &op), 700);
        DX_CHECK_EQ(d.segment, 0);
    }
    loop_close(&l);
}
