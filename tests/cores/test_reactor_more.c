/* Receiving into a pool, and datagrams; every test runs on every backend that this system supports. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "reactor_kit.h"

static void pool_open(loop *l, int backend, uint32_t buffers, uint32_t size, uint32_t each)
{
    memset(l, 0, sizeof *l);
    l->desc.buffer_count = buffers;
    l->desc.buffer_size = size;
    l->desc.buffers_per_op = each;
    loop_open(l, backend);
}

/* Every buffer is in exactly one place. */
static void pool_check(loop *l)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < l->r.buffers_; i++) held += l->r.holders_[i] != NULL;
    DX_CHECK_EQ(held, l->r.held_);
}

EVERY(recv_multishot_delivers_all_bytes_then_the_end)
{
    loop l;
    dx_op op = tagged(7);
    dx_completion c;
    int fds[2];
    uint8_t sent[5000], got[5000];
    size_t count = 0;
    pool_open(&l, backend, 8, 512, 0);
    pair(fds);
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (uint8_t)(i * 7 + i / 256);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), 0);
    nothing(&l);
    DX_CHECK_EQ(write(fds[1], sent, sizeof sent), (int)sizeof sent);
    DX_CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
    for (;;) {
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.user_data, 7);
        if (!(c.flags & DX_REACTOR_F_MORE)) break;
        DX_CHECK(c.flags & DX_REACTOR_F_BUFFER);
        DX_CHECK(c.result > 0 && c.result <= 512);
        memcpy(got + count, dx_reactor_buffer(&l.r, c.flags), (size_t)c.result);
        count += (size_t)c.result;
        pool_check(&l);
        DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, c.flags), 0);
        DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, c.flags), DX_REACTOR_EINVAL);
        DX_CHECK(dx_reactor_buffer(&l.r, c.flags) == NULL);
    }
    DX_CHECK_EQ(c.result, 0);
    DX_CHECK_EQ(c.flags, 0);
    DX_CHECK_EQ(count, sizeof sent);
    DX_CHECK_MEM(got, sent, sizeof sent);
    DX_CHECK_EQ(l.r.held_, 0);
    loop_close(&l);
}

/* A buffer may be returned after its operation has ended, when that memory may already serve something else. */
EVERY(a_buffer_that_comes_back_late_touches_no_operation)
{
    loop l;
    dx_op op = tagged(7), other;
    dx_completion c;
    int fds[2];
    pool_open(&l, backend, 4, 64, 0);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), 0);
    DX_CHECK_EQ(write(fds[1], "held", 4), 4);
    DX_CHECK_EQ(some(&l, &c, 1), 1);
    DX_CHECK_EQ(c.flags & (DX_REACTOR_F_MORE | DX_REACTOR_F_BUFFER), DX_REACTOR_F_MORE | DX_REACTOR_F_BUFFER);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    memset(&op, 0xa5, sizeof op);
    memcpy(&other, &op, sizeof op);
    DX_CHECK_MEM(dx_reactor_buffer(&l.r, c.flags), "held", 4);
    DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, c.flags), 0);
    DX_CHECK_MEM(&op, &other, sizeof op);
    DX_CHECK_EQ(l.r.held_, 0);
    loop_close(&l);
}

/* A timer in the last centuries of the clock's range must not make a wait short or wrong. */
EVERY(timers_at_the_end_of_time_let_a_wait_be_woken)
{
    static const uint64_t times[] = {INT64_MAX - 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 2, UINT64_MAX - 1};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        loop l = {0};
        dx_op far = tagged(1);
        dx_completion c;
        loop_open(&l, backend);
        DX_CHECK_EQ(dx_reactor_timer_at(&l.r, &far, times[i]), 0);
        DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, (int64_t)MS), 0);
        dx_reactor_wake(&l.r);
        DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, DX_REACTOR_FOREVER), 0);
        DX_CHECK_EQ(dx_reactor_cancel(&l.r, &far), 0);
        DX_CHECK_EQ(want(&l, &far), -ECANCELED);
        loop_close(&l);
    }
}

/* Whole seconds are passed separately to the system: a wait of exactly 1 s must not become a poll. A signal may end one
   wait early, not every one. */
EVERY(a_wait_of_a_whole_second_takes_one)
{
    loop l = {0};
    dx_completion c;
    uint64_t took = 0;
    loop_open(&l, backend);
    for (int tries = 0; tries < 5 && took < S - MS; tries++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, (int64_t)S), 0);
        clock_gettime(CLOCK_MONOTONIC, &end);
        took = (uint64_t)(end.tv_sec - begin.tv_sec) * S + (uint64_t)end.tv_nsec - (uint64_t)begin.tv_nsec;
    }
    DX_CHECK(took >= S - MS);
    loop_close(&l);
}

/* As many messages as a result can count, and no more. */
EVERY(a_receive_of_as_many_messages_as_a_result_counts)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_reactor_message message;
    loop_open(&l, backend);
    DX_CHECK_EQ(dx_reactor_receive(&l.r, &op, &message, 0), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_receive(&l.r, &op, NULL, 1), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_receive(&l.r, &op, &message, (uint32_t)INT32_MAX + 1), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_receive(&l.r, &op, &message, INT32_MAX), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &op), 0);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    loop_close(&l);
}

/* E13: an empty pool is no error and ends nothing; a returned buffer goes to the receive that has waited longest, without a
   timer. */
EVERY(e_13_an_empty_pool_parks_and_resumes_in_order)
{
    enum { N = 6 };
    loop l;
    dx_op ops[N];
    dx_completion c[8];
    int fds[N][2], count;
    uint32_t held[2];
    uint64_t next = 0, waits;
    bool seen[N] = {0};
    pool_open(&l, backend, 2, 64, 2);
    for (size_t i = 0; i < N; i++) {
        pair(fds[i]);
        ops[i] = tagged(i);
        DX_CHECK_EQ(write(fds[i][1], "abc", 3), 3);
        DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &ops[i], fds[i][0]), 0);
    }
    count = 0;
    while (count < 2) count += some(&l, c + count, (uint32_t)(8 - count));
    DX_CHECK_EQ(count, 2);
    for (int i = 0; i < 2; i++) {
        DX_CHECK_EQ(c[i].user_data, next++);
        DX_CHECK_EQ(c[i].result, 3);
        held[i] = c[i].flags;
    }
    nothing(&l);
    DX_CHECK_EQ(dx_reactor_wait(&l.r, c, 8, 2000000), 0); /* it sleeps: no busy loop */
    waits = l.r.stats_.system_waits;
    DX_CHECK_EQ(dx_reactor_wait(&l.r, c, 8, 20000000), 0);
    DX_CHECK(l.r.stats_.system_waits - waits <= 3);
    while (next < N) { /* one returned, one served */
        DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, held[next % 2]), 0);
        DX_CHECK_EQ(some(&l, c, 8), 1);
        DX_CHECK_EQ(c[0].user_data, next);
        DX_CHECK(!seen[next]);
        seen[next] = true;
        held[next % 2] = c[0].flags;
        next++;
        pool_check(&l);
    }
    for (size_t i = 0; i < N; i++) DX_CHECK_EQ(dx_reactor_cancel(&l.r, &ops[i]), 0);
    for (size_t i = 0; i < N; i++) {
        DX_CHECK_EQ(some(&l, c, 1), 1);
        DX_CHECK_EQ(c[0].result, -ECANCELED);
    }
    DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, held[0]), 0); /* after its operation has ended */
    DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, held[1]), 0);
    DX_CHECK_EQ(l.r.held_, 0);
    loop_close(&l);
}

/* E7: one fast peer gets its share of buffers and no more; the others are served meanwhile. */
EVERY(e_07_a_firehose_starves_nobody)
{
    loop l;
    dx_op fast = tagged(1), slow = tagged(2), timer = tagged(3);
    dx_completion c;
    int a[2], b[2];
    static uint8_t noise[1 << 16];
    uint32_t kept[512], share = 0, held = 0;
    bool slow_seen = false, timer_seen = false;
    pool_open(&l, backend, 512, 64, 16);
    pair(a);
    pair(b);
    DX_CHECK(write(a[1], noise, sizeof noise) > 0);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &fast, a[0]), 0);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &slow, b[0]), 0);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer, 1000000), 0);
    DX_CHECK_EQ(write(b[1], "x", 1), 1);
    while (!slow_seen || !timer_seen) {
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        if (c.user_data == 1) share++;
        if (c.user_data == 2) slow_seen = true;
        if (c.user_data == 3) timer_seen = true;
        if (c.flags & DX_REACTOR_F_BUFFER) kept[held++] = c.flags;
        DX_CHECK(held < 512);
    }
    while (dx_reactor_wait(&l.r, &c, 1, 2000000) == 1) {
        DX_CHECK_EQ(c.user_data, 1);
        kept[held++] = c.flags;
        share++;
    }
    DX_CHECK(share >= 16 && share < 200); /* io_uring may fill a few more before the pause takes effect */
    if (backend == DX_REACTOR_BACKEND_EPOLL) DX_CHECK_EQ(share, 16);
    for (uint32_t i = 0; i < held; i++) DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, kept[i]), 0);
    DX_CHECK_EQ(some(&l, &c, 1), 1); /* and it continues */
    DX_CHECK_EQ(c.user_data, 1);
    loop_close(&l);
}

EVERY(recv_multishot_many_peers_exactly_once)
{
    enum { N = 40, BYTES = 3000 };
    loop l;
    static dx_op ops[N];
    static uint8_t got[N][BYTES], data[N][BYTES];
    size_t sent[N] = {0}, have[N] = {0};
    int fds[N][2], ended = 0;
    uint32_t kept[16], count = 0, state = 12345;
    pool_open(&l, backend, 16, 128, 3);
    for (size_t i = 0; i < N; i++) {
        pair(fds[i]);
        ops[i] = tagged(i);
        for (size_t j = 0; j < BYTES; j++) data[i][j] = (uint8_t)(i * 31 + j * 17 + j / 256);
        DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &ops[i], fds[i][0]), 0);
    }
    while (ended < N) {
        dx_completion c[7];
        for (int k = 0; k < 4; k++) {
            size_t i = (state = state * 1664525 + 1013904223) >> 8, n = 1 + i % 700;
            i = i / 1024 % N;
            if (sent[i] == BYTES) continue;
            if (n > BYTES - sent[i]) n = BYTES - sent[i];
            DX_CHECK_EQ(write(fds[i][1], data[i] + sent[i], n), (int)n);
            if ((sent[i] += n) == BYTES) DX_CHECK_EQ(shutdown(fds[i][1], SHUT_WR), 0);
        }
        int done = dx_reactor_wait(&l.r, c, 7, 0);
        for (int k = 0; k < done; k++) {
            size_t i = (size_t)c[k].user_data;
            DX_CHECK(c[k].result >= 0);
            if (!c[k].flags) {
                ended++;
                DX_CHECK_EQ(have[i], BYTES);
                continue;
            }
            memcpy(got[i] + have[i], dx_reactor_buffer(&l.r, c[k].flags), (size_t)c[k].result);
            have[i] += (size_t)c[k].result;
            kept[count++] = c[k].flags;
        }
        while (count && (state >> 20 & 1 || count > 8 || done <= 0)) {
            DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, kept[--count]), 0);
            state = state * 1664525 + 1013904223;
        }
        pool_check(&l);
    }
    DX_CHECK_MEM(got, data, sizeof got);
    loop_close(&l);
}

EVERY(recv_multishot_refusals_and_errors)
{
    loop l;
    dx_op op = tagged(1), other = tagged(2);
    int fds[2];
    memset(&l, 0, sizeof l);
    loop_open(&l, backend);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), DX_REACTOR_EINVAL); /* no pool */
    DX_CHECK(dx_reactor_buffer(&l.r, DX_REACTOR_F_BUFFER) == NULL);
    loop_close(&l);
    pool_open(&l, backend, 2, 64, 0);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, 9999), 0);
    DX_CHECK_EQ(want(&l, &op), -EBADF);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), 0);
    DX_CHECK_EQ(dx_reactor_deadline(&l.r, &other, &op, 1), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &other, fds[0]), 0);
    forget_fd(fds[0]);
    DX_CHECK_EQ(want(&l, &op), -ECANCELED);
    DX_CHECK_EQ(want(&l, &other), 0);
    DX_CHECK(!dx_reactor_op_pending(&op));
    DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, 0), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_return_buffer(&l.r, DX_REACTOR_F_BUFFER | 9u << 16), DX_REACTOR_EINVAL);
    loop_close(&l);
}

/* >>datagrams ---------------------------------------------------------- */
static int udp(loop *l, dx_reactor_address *bound)
{
    dx_reactor_address any;
    int fd = -1;
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_bind_udp(&l->r, &any, 0, &fd, bound), 0);
    return keep(fd);
}

EVERY(datagrams_come_whole_with_their_sender)
{
    loop l = {0};
    dx_op receive = tagged(1), send_op = tagged(2);
    dx_reactor_address here, there;
    dx_reactor_datagram in = {0}, out = {0};
    dx_completion c[2];
    char text[100], name[64], expected[64];
    int a, b;
    loop_open(&l, backend);
    a = udp(&l, &here);
    b = udp(&l, &there);
    in.data = text;
    in.size = sizeof text;
    out.data = (void *)(uintptr_t)"hello";
    out.size = 5;
    out.address = here;
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, &in), 0);
    DX_CHECK_EQ(dx_reactor_sendto(&l.r, &send_op, b, &out), 0);
    DX_CHECK_EQ(dx_reactor_submit_and_wait(&l.r, c, 2, 2, (int64_t)(5 * S)), 2);
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(c[i].result, 5);
    DX_CHECK_MEM(text, "hello", 5);
    DX_CHECK_EQ(dx_reactor_address_format(&in.address, name, sizeof name), 0);
    DX_CHECK_EQ(dx_reactor_address_format(&there, expected, sizeof expected), 0);
    DX_CHECK_STR(name, expected);

    out.size = 0; /* an empty datagram counts, too */
    DX_CHECK_EQ(dx_reactor_sendto(&l.r, &send_op, b, &out), 0);
    DX_CHECK_EQ(want(&l, &send_op), 0);
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, &in), 0);
    DX_CHECK_EQ(want(&l, &receive), 0);

    out.size = 5;
    in.size = 3; /* too long: reported, and not taken for a short one */
    DX_CHECK_EQ(dx_reactor_sendto(&l.r, &send_op, b, &out), 0);
    DX_CHECK_EQ(want(&l, &send_op), 5);
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, &in), 0);
    DX_CHECK_EQ(want(&l, &receive), -EMSGSIZE);

    out.address.size = 0; /* not connected */
    DX_CHECK_EQ(dx_reactor_sendto(&l.r, &send_op, b, &out), 0);
    DX_CHECK_EQ(want(&l, &send_op), -EDESTADDRREQ);
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, NULL), DX_REACTOR_EINVAL);
    loop_close(&l);
}

/* E6: datagrams from one sender keep their order, and a sender is never told less than was sent. */
EVERY(e_06_datagrams_keep_their_order_and_none_is_dropped_silently)
{
    enum { N = 200 };
    loop l = {0};
    static dx_op send_ops[N];
    static dx_reactor_datagram out[N];
    static uint32_t numbers[N];
    dx_op receive = tagged(1000);
    dx_reactor_address here, there;
    dx_reactor_datagram in = {0};
    dx_completion c[16];
    uint32_t number = 0, got = 0, sent = 0;
    int a, b;
    loop_open(&l, backend);
    a = udp(&l, &here);
    b = udp(&l, &there);
    in.data = &number;
    in.size = sizeof number;
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i;
        out[i].data = &numbers[i];
        out[i].size = sizeof numbers[i];
        out[i].address = here;
        send_ops[i] = tagged(i);
        DX_CHECK_EQ(dx_reactor_sendto(&l.r, &send_ops[i], b, &out[i]), 0);
    }
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, &in), 0);
    while (got < N || sent < N) {
        int count = some(&l, c, 16);
        DX_CHECK(count > 0);
        for (int i = 0; i < count; i++) {
            DX_CHECK_EQ(c[i].result, 4);
            if (c[i].user_data != 1000) {
                DX_CHECK_EQ(c[i].user_data, sent++);
                continue;
            }
            DX_CHECK_EQ(number, got++);
            if (got < N) DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &receive, a, &in), 0);
        }
    }
    loop_close(&l);
}

/* After a short receive, the next one is tried only after an event. This must not hide: */
static void short_then(int backend, bool tcp, void (*rest)(loop *l, int from, int to))
{
    loop l;
    int ends[2];
    pool_open(&l, backend, 8, 4096, 0);
    if (tcp) tcp_pair(&l, ends);
    else pair(ends);
    rest(&l, ends[0], ends[1]);
    loop_close(&l);
}

static int32_t take(loop *l, dx_op *op, int fd, void *out, uint32_t size)
{
    DX_CHECK_EQ(dx_reactor_recv(&l->r, op, fd, out, size), 0);
    return want(l, op);
}

static void end_behind(loop *l, int from, int to)
{
    dx_op op = tagged(9);
    char in[64] = {0};
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, to, in, sizeof in), 0);
    nothing(l); /* it waits for an event */
    DX_CHECK_EQ(send(from, "bye", 3, 0), 3);
    DX_CHECK_EQ(shutdown(from, SHUT_WR), 0); /* one event for both */
    DX_CHECK_EQ(want(l, &op), 3);
    DX_CHECK_EQ(take(l, &op, to, in, sizeof in), 0);
    DX_CHECK_EQ(take(l, &op, to, in, sizeof in), 0);
}
EVERY(a_short_receive_does_not_hide_the_end_behind_it)
{
    short_then(backend, true, end_behind);
    short_then(backend, false, end_behind);
}

static void urgent_behind(loop *l, int from, int to)
{
    dx_op op = tagged(9);
    char in[64] = {0}, all[64];
    int count = 0;
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, to, in, sizeof in), 0);
    nothing(l);
    DX_CHECK_EQ(send(from, "one", 3, 0), 3);
    DX_CHECK_EQ(send(from, "!", 1, MSG_OOB), 1); /* a receive ends before the urgent byte */
    DX_CHECK_EQ(send(from, "two", 3, 0), 3);
    for (int32_t n = want(l, &op);; n = take(l, &op, to, in, sizeof in)) {
        memcpy(all + count, in, (size_t)n);
        count += n;
        if (count >= 6) break;
    }
    DX_CHECK_EQ(count, 6);
    DX_CHECK_MEM(all, "onetwo", 6);
}
EVERY(a_short_receive_does_not_hide_what_is_behind_an_urgent_byte)
{
    short_then(backend, true, urgent_behind);
}

static void descriptor_behind(loop *l, int from, int to)
{
    dx_op op = tagged(9);
    char in[64] = {0}, room[CMSG_SPACE(sizeof(int))], two[] = "two";
    struct iovec piece = {two, 3};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *head;
    int count;
    memset(room, 0, sizeof room);
    head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &from, sizeof from);
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, to, in, sizeof in), 0);
    nothing(l);
    DX_CHECK_EQ(send(from, "one", 3, 0), 3);
    DX_CHECK_EQ(sendmsg(from, &message, 0), 3);
    DX_CHECK_EQ(send(from, "three", 5, 0), 5);
    count = want(l, &op);
    while (count < 11) count += take(l, &op, to, in, sizeof in);
    DX_CHECK_EQ(count, 11);
}
EVERY(a_short_receive_does_not_hide_what_comes_with_a_descriptor)
{
    short_then(backend, false, descriptor_behind);
}

static void many_pieces(loop *l, int from, int to)
{
    dx_op op = tagged(9);
    uint8_t in[100], out[300], expected = 0, next = 0;
    for (int i = 0; i < 3000; i++) {
        size_t size = (size_t)(i * 7 % 250) + 1, got = 0;
        for (size_t k = 0; k < size; k++) out[k] = next++;
        if (i % 3 == 0) DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, to, in, sizeof in), 0);
        if (i % 6 == 0) DX_CHECK(dx_reactor_submit(&l->r) >= 0);
        DX_CHECK_EQ(send(from, out, size, 0), (ssize_t)size);
        for (bool first = i % 3 == 0; got < size; first = false) {
            int32_t n = first ? want(l, &op) : take(l, &op, to, in, sizeof in);
            DX_CHECK(n > 0);
            for (int32_t k = 0; k < n; k++) DX_CHECK_EQ(in[k], expected++);
            got += (size_t)n;
        }
    }
}
EVERY(a_receive_after_a_short_one_gets_what_comes)
{
    short_then(backend, true, many_pieces);
}

/* SQPOLL only on request; submissions reach the kernel thread without a system call while it is awake, and wake it when it
   sleeps. */
DX_TEST(be_2_sqpoll_on_request)
{
    loop l = {0}, plain = {0};
    dx_op send_op = tagged(1), recv_op = tagged(2), timer = tagged(3);
    uint8_t out[4] = "abc", in[4];
    int ends[2];
    clean();
    loop_open(&plain, DX_REACTOR_BACKEND_IO_URING);
    DX_CHECK_EQ(plain.r.ring_.setup_flags & DX_REACTOR_P_SETUP_SQPOLL, 0);
    loop_close(&plain);
    l.desc.sqpoll_idle_ms = 1;
    l.desc.queue_entries = 4;
    if (!loop_try(&l, DX_REACTOR_BACKEND_IO_URING)) {
        const char *why = dx_reactor_refusal(&l.r, DX_REACTOR_BACKEND_IO_URING);
        DX_CHECK(strstr(why, "SQPOLL") != NULL);
        DX_SKIP(why);
    }
    DX_CHECK(l.r.ring_.setup_flags & DX_REACTOR_P_SETUP_SQPOLL);
    tcp_pair(&l, ends);
    for (int i = 0; i < 300; i++) {
        out[0] = (uint8_t)i;
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], in, 4), 0);
        DX_CHECK_EQ(dx_reactor_send(&l.r, &send_op, ends[0], out, 4), 0);
        while (dx_reactor_op_pending(&recv_op) || dx_reactor_op_pending(&send_op)) {
            dx_completion done;
            DX_CHECK_EQ(some(&l, &done, 1), 1);
            DX_CHECK_EQ(done.result, 4);
        }
        DX_CHECK_EQ(in[0], (uint8_t)i);
        if (i % 100) continue;
        DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer, 5 * MS), 0); /* the kernel thread falls asleep */
        DX_CHECK_EQ(want(&l, &timer), 0);
    }
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &recv_op, ends[1], in, 4), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &recv_op), 0);
    DX_CHECK_EQ(want(&l, &recv_op), -ECANCELED);
    loop_close(&l);
}

/* dx_reactor_submit() returns how many operations were started, even if a kernel thread takes them without a call. */
DX_TEST(submit_counts_with_sqpoll)
{
    loop l = {0};
    dx_op ops[3];
    char bytes[3];
    int fds[3][2];
    clean();
    l.desc.sqpoll_idle_ms = 1000;
    if (!loop_try(&l, DX_REACTOR_BACKEND_IO_URING)) DX_SKIP(dx_reactor_refusal(&l.r, DX_REACTOR_BACKEND_IO_URING));
    for (int i = 0; i < 3; i++) {
        pair(fds[i]);
        ops[i] = tagged((uint64_t)i);
        DX_CHECK_EQ(dx_reactor_recv(&l.r, &ops[i], fds[i][0], &bytes[i], 1), 0);
        DX_CHECK_EQ(dx_reactor_submit(&l.r), 1);
        DX_CHECK_EQ(dx_reactor_submit(&l.r), 0);
    }
    loop_close(&l);
}

/* A pool's buffers have the requested size, whatever it is. */
EVERY(pool_buffers_of_odd_sizes)
{
    for (uint32_t size = 1; size < 19; size++) {
        loop l;
        dx_op op = tagged(1);
        dx_completion got;
        uint8_t bytes[64];
        int fds[2];
        pool_open(&l, backend, 2, size, 0);
        pair(fds);
        memset(bytes, (int)size, sizeof bytes);
        DX_CHECK_EQ(write(fds[1], bytes, sizeof bytes), (int)sizeof bytes);
        DX_CHECK_EQ(dx_reactor_recv_multishot(&l.r, &op, fds[0]), 0);
        DX_CHECK_EQ(some(&l, &got, 1), 1);
        DX_CHECK(got.result >= (int32_t)size && got.result < (int32_t)size + 8);
        DX_CHECK_MEM(dx_reactor_buffer(&l.r, got.flags), bytes, (size_t)got.result);
        loop_close(&l);
    }
}

/* An offset on a stream fails with ESPIPE, on every backend. */
EVERY(offsets_of_streams_are_espipe)
{
    loop l = {0};
    dx_op op = tagged(1);
    char byte = 'x';
    int ends[2], fds[2];
    l.desc.file_threads = 1;
    loop_open(&l, backend);
    tcp_pair(&l, ends);
    DX_CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    keep(fds[0]);
    keep(fds[1]);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, ends[0], &byte, 1, 0), 0);
    DX_CHECK_EQ(want(&l, &op), -ESPIPE);
    DX_CHECK_EQ(dx_reactor_write(&l.r, &op, ends[0], &byte, 1, 5), 0);
    DX_CHECK_EQ(want(&l, &op), -ESPIPE);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, fds[0], &byte, 1, 0), 0);
    DX_CHECK_EQ(want(&l, &op), -ESPIPE);
    loop_close(&l);
}

/* dx_reactor_forget() without a reactor or a descriptor fails with EINVAL; an address is reported in full, with zero
   padding. */
EVERY(descriptors_and_addresses_at_their_limits)
{
    loop l = {0};
    dx_reactor_address any, bound;
    int fd;
    memset(&l.r, 0, sizeof l.r);
    DX_CHECK_EQ(dx_reactor_forget(&l.r, 0), DX_REACTOR_EINVAL); /* not open */
    loop_open(&l, backend);
    DX_CHECK_EQ(dx_reactor_forget(NULL, 0), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_forget(&l.r, -1), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    memset(&bound, 0xee, sizeof bound);
    DX_CHECK_EQ(dx_reactor_listen(&l.r, &any, 0, 0, &fd, &bound), 0);
    keep(fd);
    DX_CHECK(bound.size >= 8 && bound.size < sizeof bound.bytes);
    for (size_t i = bound.size; i < sizeof bound.bytes; i++) DX_CHECK_EQ(bound.bytes[i], 0); /* so that addresses can be compared */
    loop_close(&l);
}

/* >>cancelled sends ---------------------------------------------------- */
/* Read the available bytes and check them against the pattern of fill_sent(). Returns how many. */
static uint64_t drain_sent(int fd, uint64_t at)
{
    static uint8_t b[65536];
    const uint64_t begin = at;
    for (ssize_t n; (n = recv(fd, b, sizeof b, MSG_DONTWAIT)) > 0;)
        for (ssize_t i = 0; i < n; i++, at++) DX_CHECK_EQ(b[i], (uint8_t)(at * 7 + at / 251));
    return at - begin;
}

static void fill_sent(uint8_t *data, size_t size, uint64_t at)
{
    for (size_t i = 0; i < size; i++, at++) data[i] = (uint8_t)(at * 7 + at / 251);
}

/* The peer repeatedly reads a part and stops; each send is ended midway, by a cancel or a deadline. The peer gets exactly
   the reported bytes, and the next send continues from there, even one that was queued. */
static void cancel_sends(loop *l, const int *ends, bool zero_copy)
{
    enum { SIZE = 3 << 20, ROUNDS = 12, TAIL = 1000 };
    static uint8_t data[SIZE], tail[TAIL];
    uint64_t said = 0, got = 0;
    for (int round = 0; round < ROUNDS; round++) {
        dx_op op = tagged(1), behind = tagged(2), limit = tagged(3);
        dx_completion c;
        const bool waits = round % 3 == 2; /* another send is cancelled before it has begun */
        bool cut = false;
        int left = 1 + waits + (round & 1);
        fill_sent(data, SIZE, said);
        if (zero_copy) DX_CHECK_EQ(dx_reactor_send_zero_copy(&l->r, &op, ends[0], data, SIZE), 0);
        else DX_CHECK_EQ(dx_reactor_send(&l->r, &op, ends[0], data, SIZE), 0);
        if (waits) DX_CHECK_EQ(dx_reactor_send(&l->r, &behind, ends[0], tail, TAIL), 0);
        nothing(l);
        for (int i = 0; i < round % 4; i++) { /* it continues for a while */
            got += drain_sent(ends[1], got);
            DX_CHECK_EQ(dx_reactor_wait(&l->r, &c, 1, (int64_t)MS), 0);
        }
        if (waits) DX_CHECK_EQ(dx_reactor_cancel(&l->r, &behind), 0);
        if (round & 1) DX_CHECK_EQ(dx_reactor_deadline(&l->r, &limit, &op, MS / 2), 0);
        else DX_CHECK_EQ(dx_reactor_cancel(&l->r, &op), 0);
        while (left--) {
            DX_CHECK_EQ(some(l, &c, 1), 1);
            if (c.user_data == 1) cut = c.result == (round & 1 ? -ETIMEDOUT : -ECANCELED);
            if (c.user_data == 2) DX_CHECK_EQ(c.result, -ECANCELED);
            if (c.user_data == 3) DX_CHECK_EQ(c.result, 0);
        }
        DX_CHECK(cut);
        DX_CHECK_EQ(dx_reactor_op_transferred(&behind), 0);
        DX_CHECK(dx_reactor_op_transferred(&op) < SIZE);
        said += dx_reactor_op_transferred(&op);
        if (round % 2 == 0) { /* occasionally a complete one */
            fill_sent(tail, TAIL, said);
            DX_CHECK_EQ(dx_reactor_send(&l->r, &op, ends[0], tail, TAIL), 0);
            for (int i = 0; dx_reactor_op_pending(&op); i++) {
                DX_CHECK(i < 10000);
                got += drain_sent(ends[1], got);
                if (dx_reactor_wait(&l->r, &c, 1, (int64_t)MS) == 1) DX_CHECK_EQ(c.result, TAIL);
            }
            said += TAIL;
        }
    }
    for (uint64_t end = now_ns() + LONG; got < said && now_ns() < end;) got += drain_sent(ends[1], got);
    DX_CHECK_EQ(got, said);
    DX_CHECK(said > 100000);
    usleep(2000);
    DX_CHECK_EQ(drain_sent(ends[1], got), 0); /* and no more than that */
}

EVERY(cancelled_sends_say_what_went_and_later_ones_go_on)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        loop l = {0};
        int ends[2];
        const int small = 100000;
        loop_open(&l, backend);
        if (tcp) tcp_pair(&l, ends);
        else pair(ends);
        for (int i = 0; i < 2; i++) {
            DX_CHECK_EQ(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
            DX_CHECK_EQ(setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
        }
        cancel_sends(&l, ends, false);
        if (!tcp) cancel_sends(&l, (int[2]){ends[1], ends[0]}, true); /* on TCP it would be reset */
        loop_close(&l);
        clean();
    }
}

/* >>descriptor 0 -------------------------------------------------------

   Without a standard input, a program gets descriptor 0 for the next file or socket it opens. */
static int standard_input = -1;

/* Before anything else is opened. */
static void hold_number_0(void)
{
    if (fcntl(0, F_GETFD) < 0) DX_CHECK_EQ(open("/dev/null", O_RDONLY), 0);
    if (standard_input < 0) standard_input = fcntl(0, F_DUPFD_CLOEXEC, 3);
}

static void restore_number_0(void)
{
    DX_CHECK_EQ(fcntl(0, F_GETFD), -1); /* its owner has closed it */
    DX_CHECK_EQ(errno, EBADF);
    DX_CHECK_EQ(dup2(standard_input, 0), 0);
}

static void close_0(loop *l)
{
    dx_op op = tagged(77);
    forget_fd(0);
    DX_CHECK_EQ(dx_reactor_close_fd(&l->r, &op, 0), 0);
    DX_CHECK_EQ(want(l, &op), 0);
}

/* Everything a connected stream can do, with descriptor 0. */
static void use_stream_0(loop *l, int other)
{
    dx_op op = tagged(1), limit = tagged(2);
    dx_completion c[2];
    char b[8] = "";
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, 0, b, 8), 0);
    nothing(l);
    DX_CHECK_EQ(dx_reactor_cancel(&l->r, &op), 0);
    DX_CHECK_EQ(want(l, &op), -ECANCELED);
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, 0, b, 8), 0);
    DX_CHECK_EQ(dx_reactor_deadline(&l->r, &limit, &op, MS), 0);
    for (int got = 0; got < 2;) got += dx_reactor_wait(&l->r, c + got, (uint32_t)(2 - got), LONG);
    DX_CHECK(c[0].result == -ETIMEDOUT && c[1].result == 0);
    DX_CHECK_EQ(dx_reactor_poll(&l->r, &op, 0, DX_REACTOR_READABLE), 0);
    nothing(l);
    DX_CHECK_EQ(write(other, "hello", 5), 5);
    DX_CHECK_EQ(want(l, &op) & DX_REACTOR_READABLE, DX_REACTOR_READABLE);
    DX_CHECK_EQ(dx_reactor_recv(&l->r, &op, 0, b, 8), 0);
    DX_CHECK_EQ(want(l, &op), 5);
    DX_CHECK_MEM(b, "hello", 5);
    DX_CHECK_EQ(write(other, "again", 5), 5);
    DX_CHECK_EQ(dx_reactor_recv_multishot(&l->r, &op, 0), 0);
    DX_CHECK_EQ(some(l, c, 1), 1);
    DX_CHECK_EQ(c[0].result, 5);
    DX_CHECK_MEM(dx_reactor_buffer(&l->r, c[0].flags), "again", 5);
    DX_CHECK_EQ(dx_reactor_return_buffer(&l->r, c[0].flags), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l->r, &op), 0);
    DX_CHECK_EQ(want(l, &op), -ECANCELED);
    DX_CHECK_EQ(dx_reactor_send(&l->r, &op, 0, "there", 5), 0);
    DX_CHECK_EQ(want(l, &op), 5);
    DX_CHECK_EQ(dx_reactor_send_zero_copy(&l->r, &op, 0, "again", 5), 0);
    DX_CHECK_EQ(want(l, &op), 5);
    DX_CHECK_EQ(dx_reactor_shutdown(&l->r, &op, 0), 0);
    DX_CHECK_EQ(want(l, &op), 0);
    for (int got = 0; got < 10;) {
        const ssize_t n = recv(other, b, sizeof b, 0);
        DX_CHECK(n > 0);
        got += (int)n;
    }
    DX_CHECK_EQ(recv(other, b, sizeof b, 0), 0);
}

EVERY(descriptor_0_is_a_socket_like_others)
{
    loop l;
    dx_op op = tagged(1), accept_op = tagged(2);
    dx_reactor_address at;
    dx_completion c;
    int fds[2], client, listening, fd = -1;
    hold_number_0();
    pool_open(&l, backend, 8, 64, 0);
    close(0);
    pair(fds);
    DX_CHECK_EQ(fds[0], 0);
    DX_CHECK_EQ(fcntl(fds[1], F_SETFL, 0), 0);
    use_stream_0(&l, fds[1]);
    close_0(&l);
    listening = listener(&l, &at); /* the listener */
    DX_CHECK_EQ(listening, 0);
    client = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    DX_CHECK_EQ(dx_reactor_accept(&l.r, &accept_op, 0), 0);
    DX_CHECK_EQ(connect(client, (struct sockaddr *)at.bytes, at.size), 0);
    fd = want(&l, &accept_op);
    DX_CHECK(fd > 0);
    shut(fd);
    shut(client);
    for (int multishot = 0; multishot < 2; multishot++) { /* the accepted connection */
        listening = fcntl(0, F_DUPFD_CLOEXEC, 3);
        close_0(&l);
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        DX_CHECK_EQ(client, 0);
        client = keep(fcntl(0, F_DUPFD_CLOEXEC, 3));
        close(0);
        DX_CHECK_EQ(multishot ? dx_reactor_accept_multishot(&l.r, &accept_op, listening)
                              : dx_reactor_accept(&l.r, &accept_op, listening), 0);
        DX_CHECK_EQ(connect(client, (struct sockaddr *)at.bytes, at.size), 0);
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.user_data, 2);
        DX_CHECK_EQ(c.result, 0);
        DX_CHECK_EQ(c.flags, multishot ? DX_REACTOR_F_MORE : 0);
        use_stream_0(&l, client);
        close_0(&l);
        shut(client);
        if (multishot) DX_CHECK_EQ(dx_reactor_cancel(&l.r, &accept_op), 0);
        if (multishot) DX_CHECK_EQ(want(&l, &accept_op), -ECANCELED);
        DX_CHECK_EQ(dx_reactor_forget(&l.r, listening), 0);
        DX_CHECK_EQ(dup2(listening, 0), 0);
        close(listening);
    }
    listening = keep(fcntl(0, F_DUPFD_CLOEXEC, 3));
    close(0);
    DX_CHECK_EQ(dx_reactor_socket(&l.r, &at, 0, &fd), 0); /* the connecting socket */
    DX_CHECK_EQ(fd, 0);
    DX_CHECK_EQ(dx_reactor_connect(&l.r, &op, 0, &at), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    client = keep(accept(listening, NULL, NULL));
    use_stream_0(&l, client);
    DX_CHECK_EQ(dx_reactor_forget(&l.r, 0), 0);
    close(0);
    loop_close(&l);
    restore_number_0();
}

EVERY(descriptor_0_is_a_file_a_pipe_or_takes_datagrams)
{
    loop l = {0};
    dx_op op = tagged(1), other = tagged(2);
    dx_reactor_address here;
    dx_reactor_datagram d = {0};
    char b[8];
    int fds[2];
    hold_number_0();
    loop_open(&l, backend);
    close(0);
    DX_CHECK_EQ(syscall(SYS_memfd_create, "dx", 0L), 0);
    DX_CHECK_EQ(dx_reactor_write(&l.r, &op, 0, "hello", 5, 3), 0);
    DX_CHECK_EQ(want(&l, &op), 5);
    DX_CHECK_EQ(dx_reactor_fsync(&l.r, &op, 0, true), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, 0, b, 8, 3), 0);
    DX_CHECK_EQ(want(&l, &op), 5);
    DX_CHECK_MEM(b, "hello", 5);
    close_0(&l);
    DX_CHECK_EQ(pipe(fds), 0);
    DX_CHECK_EQ(fds[0], 0);
    DX_CHECK_EQ(dx_reactor_read(&l.r, &op, 0, b, 8, DX_REACTOR_NO_OFFSET), 0);
    nothing(&l);
    DX_CHECK_EQ(write(fds[1], "piped", 5), 5);
    DX_CHECK_EQ(want(&l, &op), 5);
    close_0(&l);
    close(fds[1]);
    DX_CHECK_EQ(udp(&l, &here), 0);
    d.data = b;
    d.size = sizeof b;
    DX_CHECK_EQ(dx_reactor_recvfrom(&l.r, &op, 0, &d), 0);
    nothing(&l);
    dx_reactor_datagram out = {0};
    out.data = b + 4;
    out.size = 2;
    out.address = here;
    memcpy(b, "....42..", 8);
    DX_CHECK_EQ(dx_reactor_sendto(&l.r, &other, 0, &out), 0);
    for (int got = 0; got < 2; got++) {
        dx_completion c;
        DX_CHECK_EQ(some(&l, &c, 1), 1);
        DX_CHECK_EQ(c.result, 2);
    }
    DX_CHECK_MEM(b, "42", 2);
    close_0(&l);
    loop_close(&l);
    restore_number_0();
}

/* The reactor's own descriptor: it works with number 0, and releases it. */
EVERY(descriptor_0_is_the_reactors)
{
    loop l = {0};
    dx_op op = tagged(1);
    dx_completion c;
    char b[8];
    int fds[2];
    hold_number_0();
    close(0);
    loop_open(&l, backend);
    DX_CHECK(l.r.poll_fd_ == 0 || l.r.wake_fd_ == 0);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], b, 8), 0);
    nothing(&l);
    DX_CHECK_EQ(write(fds[1], "hello", 5), 5);
    DX_CHECK_EQ(want(&l, &op), 5);
    dx_reactor_wake(&l.r);
    DX_CHECK_EQ(dx_reactor_wait(&l.r, &c, 1, LONG), 0);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &op, MS), 0);
    DX_CHECK_EQ(want(&l, &op), 0);
    loop_close(&l);
    restore_number_0();
}

/* >>limits ------------------------------------------------------------- */
/* Its callback restarts an operation at pending_max, and while closes are pending beyond that. */
static int again_error;
static uint32_t again_count;
static void start_again(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)result, (void)flags;
    if (again_count++ < 3) again_error |= dx_reactor_timer(r, op, again_count == 3 ? 3600 * S : 0);
}
EVERY(an_operation_that_has_ended_can_be_started_again)
{
    enum { CLOSES = 5 };
    loop l = {0};
    dx_op timer, other, closes[CLOSES];
    int fds[2];
    l.desc.pending_max = 1;
    loop_open(&l, backend);
    again_error = 0;
    again_count = 0;
    dx_reactor_op_init(&timer, start_again, NULL);
    dx_reactor_op_init(&other, NULL, NULL);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &timer, 3600 * S), 0);
    DX_CHECK_EQ(dx_reactor_cancel(&l.r, &timer), 0);
    for (int i = 0; i < CLOSES; i++) {
        DX_CHECK_EQ(pipe(fds), 0);
        keep(fds[1]);
        dx_reactor_op_init(&closes[i], NULL, NULL);
        DX_CHECK_EQ(dx_reactor_close_fd(&l.r, &closes[i], fds[0]), 0);
    }
    for (uint64_t end = now_ns() + LONG; (again_count < 3 || dx_reactor_pending(&l.r) > 1) && now_ns() < end;)
        DX_CHECK(dx_reactor_run_once(&l.r, 5 * (int64_t)MS) >= 0);
    DX_CHECK_EQ(again_error, 0);
    DX_CHECK_EQ(again_count, 3);
    DX_CHECK_EQ(dx_reactor_pending(&l.r), 1);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &other, 0), DX_REACTOR_EAGAIN); /* the limit is unchanged */
    loop_close(&l);
}

/* >>extension ---------------------------------------------------------- */
typedef struct layer { /* its calls, in one list with the completions */
    dx_reactor_extension extension;
    dx_op ops[2];
    int   flushes;
    bool  starts;
} layer;

static char order[64];

static void note(char what)
{
    size_t used = strlen(order);
    if (used + 1 < sizeof order) order[used] = what;
}

static void layer_flush(dx_reactor *r, dx_reactor_extension *extension)
{
    layer *at = (layer *)extension->user;
    DX_CHECK(extension == &at->extension);
    at->flushes++;
    note('f');
    if (at->starts) DX_CHECK_EQ(dx_reactor_timer(r, &at->ops[1], 0), 0);
    at->starts = false;
}

static void layer_produces(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    layer *at = (layer *)dx_reactor_ext_owner(r, op)->user;
    (void)result, (void)flags;
    note('a');
    at->starts = true;
    dx_reactor_ext_flush_later(r, &at->extension);
    dx_reactor_ext_flush_later(r, &at->extension); /* two requests, one flush */
}

static void plain(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)op, (void)result, (void)flags;
    note('b');
}

/* A layer's queued work is flushed once, after all deliveries and before the wait; what the flush starts is delivered in
   the same round. A layer is found by its operations. */
EVERY(extensions_are_flushed_before_a_wait)
{
    loop l = {0};
    static layer layers[2];
    dx_op other = tagged(0);
    dx_reactor_extension none;
    memset(&none, 0, sizeof none);
    memset(layers, 0, sizeof layers);
    memset(order, 0, sizeof order);
    loop_open(&l, backend);
    DX_CHECK_EQ(dx_reactor_ext_attach(NULL, &layers[0].extension), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_ext_attach(&l.r, NULL), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_ext_attach(&l.r, &none), DX_REACTOR_EINVAL); /* no flush */
    for (int i = 0; i < 2; i++) {
        layers[i].extension.flush = layer_flush;
        layers[i].extension.user = &layers[i];
        layers[i].extension.memory = layers[i].ops;
        layers[i].extension.memory_size = sizeof layers[i].ops;
        DX_CHECK_EQ(dx_reactor_ext_attach(&l.r, &layers[i].extension), 0);
    }
    DX_CHECK(dx_reactor_ext_owner(&l.r, &other) == NULL);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++)
            DX_CHECK(dx_reactor_ext_owner(&l.r, &layers[i].ops[k]) == &layers[i].extension);
    dx_reactor_ext_op_init(&layers[1].ops[0], layer_produces, 77);
    DX_CHECK_EQ(dx_reactor_ext_op_fd(&layers[1].ops[0]), 77);
    dx_reactor_ext_op_init(&layers[1].ops[1], plain, -1);
    other.fn = plain;
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &layers[1].ops[0], 0), 0);
    DX_CHECK_EQ(dx_reactor_timer(&l.r, &other, 0), 0);
    while (dx_reactor_pending(&l.r)) DX_CHECK(dx_reactor_run_once(&l.r, LONG) >= 0);
    DX_CHECK_STR(order, "abfb");
    DX_CHECK_EQ(layers[0].flushes, 0);
    DX_CHECK_EQ(layers[1].flushes, 1);
    DX_CHECK(!dx_reactor_ext_is_closing(&l.r));
    DX_CHECK_EQ(dx_reactor_ext_pool_count(&l.r), 0);
    DX_CHECK_EQ(dx_reactor_ext_pool_count(NULL), 0);
    DX_CHECK(dx_reactor_ext_clock_ns(&l.r) >= dx_reactor_now_ns(&l.r));
    DX_CHECK(dx_reactor_ext_clock_ns(NULL) >= dx_reactor_now_ns(&l.r));
    loop_close(&l);
}

/* No waiting inside a flush, and a run does not end before a requested flush, even if nothing is pending. Closing the
   reactor flushes each layer once more: its work without an operation ends there. */
static void eager_flush(dx_reactor *r, dx_reactor_extension *extension)
{
    dx_completion c;
    DX_CHECK_EQ(dx_reactor_run_once(r, 0), DX_REACTOR_EREENTRY);
    DX_CHECK_EQ(dx_reactor_wait(r, &c, 1, 0), DX_REACTOR_EREENTRY);
    DX_CHECK_EQ(dx_reactor_run(r), DX_REACTOR_EREENTRY);
    DX_CHECK_EQ(dx_reactor_close(r), DX_REACTOR_EREENTRY);
    if (dx_reactor_ext_is_closing(r)) note('c');
    layer_flush(r, extension);
}

EVERY(extensions_are_flushed_before_a_run_ends_and_when_the_reactor_is_closed)
{
    loop l = {0};
    static layer one;
    memset(&one, 0, sizeof one);
    memset(order, 0, sizeof order);
    loop_open(&l, backend);
    one.extension.flush = eager_flush;
    one.extension.user = &one;
    DX_CHECK_EQ(dx_reactor_ext_attach(&l.r, &one.extension), 0);
    dx_reactor_ext_op_init(&one.ops[1], plain, -1);
    one.starts = true;
    dx_reactor_ext_flush_later(&l.r, &one.extension);
    DX_CHECK_EQ(dx_reactor_run(&l.r), 0); /* nothing was pending before */
    DX_CHECK_STR(order, "fb");
    loop_close(&l);
    DX_CHECK_STR(order, "fbcf");
}

/* A half-close is sent while a receive is pending; a descriptor without operations is closed at once. */
EVERY(extensions_shut_and_close_at_once)
{
    loop l = {0};
    dx_op op = tagged(1);
    char bytes[4];
    int fds[2], spare;
    loop_open(&l, backend);
    pair(fds);
    DX_CHECK_EQ(dx_reactor_recv(&l.r, &op, fds[0], bytes, 4), 0);
    nothing(&l);
    DX_CHECK_EQ(dx_reactor_ext_shutdown_now(&l.r, fds[0]), 0);
    DX_CHECK_EQ(read(fds[1], bytes, 4), 0);
    DX_CHECK_EQ(write(fds[1], "abcd", 4), 4);
    DX_CHECK_EQ(want(&l, &op), 4);
    spare = dup(fds[1]);
    DX_CHECK_EQ(dx_reactor_ext_close_now(&l.r, spare), 0);
    DX_CHECK_EQ(dx_reactor_ext_close_now(&l.r, spare), -EBADF);
    loop_close(&l);
}
