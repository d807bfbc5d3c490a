/* Tests of layers/dx_bulk_net.h: bulk transfers over real TCP sockets on loopback, each side in its own threads. */
#ifndef _GNU_SOURCE
  #define _GNU_SOURCE
#endif
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#include "../../dx_hbtp.h"
#include "../../layers/dx_bulk.h"
#include "../../layers/dx_bulk_net.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include <pthread.h>
#include <sys/resource.h>

#define S UINT64_C(1000000000)
enum { MOST = 6000000 };

/* >>one side ----------------------------------------------------------- */
typedef struct side {
    dx_bulk_net            net;
    dx_bulk_desc   desc;
    dx_bulk_object object;
    uint8_t            *bytes;            /* of the object; the receiver's survive it, like a file */
    uint8_t             state[4096];      /* stored by a receiver that stops */
    int64_t             state_size;
    uint64_t            stop_at;          /* stop after this many bytes, as if the process ended; 0: never */
    uint64_t            until_ns;         /* so that a test never hangs */
    uint32_t            kills;            /* connections to cut at random moments */
    uint32_t            seed, slow_us, warnings;
    bool                wrong;            /* receiver: expects another hash */
    volatile bool       running, over;
} side;

static side sender, receiver, stranger;
static bool through_write;
static bool sender_listens_nowhere = true; /* its own claim */
static uint8_t source[MOST], target[MOST];

static void hash(const uint8_t *p, uint64_t size, uint8_t out[32])
{
    uint64_t h = size + UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; i < size; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(h >> i % 8 * 8);
}

static const void *fetch(void *user, uint64_t offset, uint32_t size)
{
    (void)size;
    return ((side *)user)->bytes + offset;
}

static int store(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size)
{
    memcpy(((side *)user)->bytes + offset, bytes, size);
    return 0;
}

static uint32_t dice(side *s)
{
    s->seed = s->seed * 1664525u + 1013904223u;
    return s->seed >> 16;
}

static bool goes_on(side *s)
{
    if (dx_bulk_net_now_ns() > s->until_ns || s->net.gave_up) return false;
    if (s->stop_at && s->net.bulk.metrics.bytes_done >= s->stop_at) return false;
    return s->net.bulk.state < DX_BULK_DONE;
}

static void *receive(void *arg)
{
    side *s = (side *)arg;
    uint8_t out[32];
    while (goes_on(s)) {
        dx_bulk_net_turn(&s->net);
        s->running = s->net.bulk.state >= DX_BULK_RUNNING;
        if (s->slow_us) usleep(s->slow_us);
        if (s->net.bulk.state != DX_BULK_WHOLE) continue;
        hash(s->bytes, s->net.bulk.object.size, out);
        dx_bulk_verify(&s->net.bulk, !memcmp(out, s->net.bulk.object.hash, 32));
    }
    if (s->net.bulk.state < DX_BULK_DONE) /* stopped midway */
        s->state_size = dx_bulk_save(&s->net.bulk, s->state, sizeof s->state);
    else /* tell the other side */
        while ((s->net.count || !sender.over) && dx_bulk_net_now_ns() < s->until_ns) dx_bulk_net_turn(&s->net);
    dx_bulk_net_close(&s->net);
    return NULL;
}

/* A reset or an orderly close. One connection is left: three failures in a row without any connection end the
   transfer. */
static void cut_one(side *s)
{
    struct linger now = {1, 0};
    uint32_t open = 0, at;
    if (s->net.control.failures) return; /* until the cut connection is back */
    for (uint32_t i = 0; i < s->net.count; i++) open += s->net.links[i].number >= 0;
    at = s->net.count ? dice(s) % s->net.count : 0;
    if (!s->net.count || s->net.links[at].number < 0 || (open < 2 && s->net.control.count_max > 1)) return;
    if (dice(s) % 2) setsockopt(s->net.links[at].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    shutdown(s->net.links[at].fd, SHUT_RDWR);
    s->kills--;
}

static void *send_all(void *arg)
{
    side *s = (side *)arg;
    dx_bulk_net_dial(&s->net, dx_bulk_net_now_ns());
    while (goes_on(s)) {
        dx_bulk_net_turn(&s->net);
        if (s->kills && dice(s) % 8 == 0) cut_one(s);
    }
    s->over = true;
    dx_bulk_net_close(&s->net);
    return NULL;
}

static void be_receiver(side *s)
{
    memset(s, 0, offsetof(side, state)); /* a stored state survives */
    memset(&s->stop_at, 0, sizeof *s - offsetof(side, stop_at));
    s->desc.write = store;
    s->desc.user = s;
    s->desc.connections_max = DX_BULK_NET_CONNECTIONS_MAX;
    s->bytes = target;
    s->net.target = through_write ? NULL : target; /* receive in place */
    s->until_ns = dx_bulk_net_now_ns() + 120 * S;
    s->net.listener = dx_bulk_net_listen(INADDR_LOOPBACK, &s->net.port);
    DX_CHECK(s->net.listener >= 0);
    DX_CHECK_EQ(dx_bulk_net_start(&s->net, &s->desc, 0), 0);
}

static void be_sender(side *s, uint64_t size, uint32_t transfer, uint32_t connections)
{
    memset(s, 0, sizeof *s);
    for (uint64_t i = 0; i < size; i++) source[i] = (uint8_t)(i * i >> 7 ^ i);
    s->object.size = size;
    s->object.transfer = transfer;
    hash(source, size, s->object.hash);
    s->desc.object = &s->object;
    s->desc.read = fetch;
    s->desc.user = s;
    s->desc.connections_max = DX_BULK_NET_CONNECTIONS_MAX;
    s->bytes = source;
    s->until_ns = dx_bulk_net_now_ns() + 120 * S;
    if (sender_listens_nowhere) s->net.listener = -1;
    s->net.host = INADDR_LOOPBACK;
    s->net.port = receiver.net.port;
    DX_CHECK_EQ(dx_bulk_net_start(&s->net, &s->desc, connections), 0);
}

static void run(void)
{
    pthread_t r, s;
    DX_CHECK_EQ(pthread_create(&r, NULL, receive, &receiver), 0);
    DX_CHECK_EQ(pthread_create(&s, NULL, send_all, &sender), 0);
    pthread_join(s, NULL);
    pthread_join(r, NULL);
}

static void check_done(uint64_t size)
{
    DX_CHECK_EQ(receiver.net.bulk.state, DX_BULK_DONE);
    DX_CHECK_EQ(sender.net.bulk.state, DX_BULK_DONE);
    DX_CHECK(!memcmp(source, target, size));
    DX_CHECK_EQ(receiver.net.bulk.metrics.bytes_done, size);
    DX_CHECK_EQ(sender.net.bulk.metrics.bytes_done, size);
    memset(target, 0, sizeof target);
}

/* >>tests -------------------------------------------------------------- */
DX_TEST(am_1_am_4_objects_arrive_over_1_4_16_and_64_connections)
{
    static const uint32_t counts[] = {1, 4, 16, 64};
    static const uint64_t sizes[] = {0, 1, 16384, 100001, 3000001};
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 5; k++) {
            through_write = k == 3;
            be_receiver(&receiver);
            be_sender(&sender, sizes[k], 1, counts[i]);
            run();
            check_done(sizes[k]);
            DX_CHECK(sender.net.bulk.metrics.opened <= counts[i]);
            through_write = false;
        }
    }
}

/* A sender sets host and port. The zero left in `listener` is not taken for standard input. */
DX_TEST(am_1_a_sender_is_zeroed_and_told_where_to_connect_to)
{
    if (fcntl(0, F_GETFD) < 0) DX_CHECK_EQ(dup2(1, 0), 0);
    be_receiver(&receiver);
    sender_listens_nowhere = false;
    be_sender(&sender, 100001, 1, 2);
    sender_listens_nowhere = true;
    run();
    check_done(100001);
    DX_CHECK(fcntl(0, F_GETFD) >= 0);
}

/* Turns with nothing to do wait at most 100 ms each, also when a client wants to connect that cannot be served. */
static void check_that_turns_wait(dx_bulk_net *n, int turns)
{
    const uint64_t begin = dx_bulk_net_now_ns();
    while (turns--) dx_bulk_net_turn(n);
    DX_CHECK(dx_bulk_net_now_ns() - begin > S / 4);
}

DX_TEST(am_3_who_cannot_be_accepted_does_not_keep_the_loop_busy)
{
    struct rlimit few, before;
    int waiting[DX_BULK_NET_CONNECTIONS_MAX + 1];
    char used[16];
    be_receiver(&receiver);
    for (int i = 0; i <= DX_BULK_NET_CONNECTIONS_MAX; i++) {
        waiting[i] = dx_bulk_net_connect(INADDR_LOOPBACK, receiver.net.port, &receiver.net.options, used);
        if (i) continue;
        DX_CHECK(fcntl(waiting[i], F_GETFD) & FD_CLOEXEC);
        DX_CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = before;
        few.rlim_cur = 3; /* no descriptor for it */
        DX_CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        check_that_turns_wait(&receiver.net, 8);
        DX_CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        DX_CHECK_EQ(receiver.net.count, 0);
    }
    for (int i = 0; i < 400 && receiver.net.count < DX_BULK_NET_CONNECTIONS_MAX; i++) dx_bulk_net_turn(&receiver.net);
    DX_CHECK_EQ(receiver.net.count, DX_BULK_NET_CONNECTIONS_MAX);
    check_that_turns_wait(&receiver.net, 8);
    dx_bulk_net_close(&receiver.net);
    for (int i = 0; i <= DX_BULK_NET_CONNECTIONS_MAX; i++) close(waiting[i]);
}

DX_TEST(am_7_options_are_set_and_read_back)
{
    char used[16];
    dx_bulk_net_options o = {"reno", 1 << 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0), v = 0;
    socklen_t size = sizeof v;
    dx_bulk_net_options none = {NULL, 0};
    bool tells = dx_bulk_net_set_options(fd, &none, used) && used[0]; /* an emulated Linux does not */
    DX_CHECK(dx_bulk_net_set_options(fd, &o, used) == tells);
    DX_CHECK_STR(used, tells ? "reno" : "");
    DX_CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, &size) && v);
    DX_CHECK(!getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, &size) && v);
    DX_CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, &size) && v == 30);
    DX_CHECK(!getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, &size) && v >= 65536); /* the system may cap it */
    o.congestion = "no-such-one"; /* then the system's default, which is reported */
    DX_CHECK(!dx_bulk_net_set_options(fd, &o, used));
    DX_CHECK_STR(used, tells ? "reno" : "");
    close(fd);
}

/* Segments retransmitted by the kernel so far: under load this happens on loopback, too. */
static uint64_t sent_again(const dx_bulk_net *net, size_t links)
{
    uint64_t count = 0;
    for (size_t k = 0; k < links; k++) {
        struct tcp_info i;
        socklen_t size = sizeof i;
        memset(&i, 0, sizeof i); /* an emulated Linux reports nothing */
        if (!getsockopt(net->links[k].fd, IPPROTO_TCP, TCP_INFO, &i, &size) &&
            size >= offsetof(struct tcp_info, tcpi_total_retrans) + sizeof i.tcpi_total_retrans)
            count += i.tcpi_total_retrans;
    }
    return count;
}

DX_TEST(am_12_the_kernel_tells_of_windows_and_round_trips)
{
    uint64_t before;
    static uint8_t data[65536];
    static dx_bulk_net net;
    uint16_t port = 0;
    char used[16];
    dx_bulk_net_options o = {"reno", 0};
    int listener = dx_bulk_net_listen(INADDR_LOOPBACK, &port), sent;
    dx_bulk_net_paths all;
    memset(&net, 0, sizeof net);
    net.in_capacity_ = 16;
    for (int i = 0; i < 2; i++) dx_bulk_net_p_add(&net, dx_bulk_net_connect(INADDR_LOOPBACK, port, &o, used), -1, 0);
    for (int i = 0; i < 2; i++) {
        struct pollfd p = {net.links[i].fd, POLLOUT, 0};
        DX_CHECK_EQ(poll(&p, 1, 5000), 1);
        sent = (int)write(p.fd, data, sizeof data);
        DX_CHECK(sent > 0);
    }
    before = sent_again(&net, 2);
    all = dx_bulk_net_read_paths(&net);
    DX_CHECK(all.retransmitted >= before && all.retransmitted <= sent_again(&net, 2));
    if (all.connections) { /* not on an emulated Linux, which reports nothing */
        DX_CHECK_EQ(all.connections, 2);
        DX_CHECK((all.retransmitted || (all.window >= 2 * 536 && all.in_flight <= all.window)) && all.rtt_us > 0 && all.rtt_us < 60000000);
    } else {
        struct tcp_info i;
        socklen_t size = sizeof i;
        DX_CHECK(getsockopt(net.links[0].fd, IPPROTO_TCP, TCP_INFO, &i, &size) || size < sizeof i / 2);
    }
    for (int i = 0; i < 2; i++) {
        close(net.links[i].fd);
        free(net.links[i].in);
    }
    close(listener);
}

DX_TEST(am_10_connections_are_cut_at_random_moments)
{
    static const uint32_t counts[] = {1, 4, 16, 64}, kills[] = {2, 6, 20, 60};
    for (int i = 0; i < 4; i++) {
        through_write = i == 2;
        be_receiver(&receiver);
        be_sender(&sender, 5000001, 7, counts[i]);
        sender.kills = kills[i];
        sender.seed = (uint32_t)i + 5;
        run();
        check_done(5000001);
        DX_CHECK(sender.net.bulk.metrics.dropped >= 1);
        DX_CHECK(sender.net.bulk.metrics.bytes >= 5000001);
    }
    through_write = false;
}

DX_TEST(am_15_a_receiver_starts_again_with_its_bitmap)
{
    be_receiver(&receiver);
    receiver.stop_at = 3000000;
    be_sender(&sender, 5000000, 7, 4);
    run(); /* the sender finds no receiver any more, and gives up */
    DX_CHECK(receiver.state_size > 0);
    DX_CHECK(sender.net.bulk.state != DX_BULK_DONE);
    uint64_t had = receiver.net.bulk.metrics.bytes_done;
    DX_CHECK(had >= 3000000);
    be_receiver(&receiver);
    DX_CHECK_EQ(dx_bulk_load(&receiver.net.bulk, receiver.state, (size_t)receiver.state_size), 0);
    be_sender(&sender, 5000000, 8, 4);
    sender.net.bulk.desc_.patient = true;
    run();
    check_done(5000000);
    DX_CHECK(sender.net.bulk.metrics.bytes < 5000000 - had + 1000000); /* not all of it again */
}

DX_TEST(am_6_am_8_a_slow_reader_gets_all_of_it)
{
    be_receiver(&receiver);
    receiver.slow_us = 3000;
    receiver.net.options.buffer_size = 8192;
    be_sender(&sender, 1500000, 1, 4);
    run();
    check_done(1500000);
    DX_CHECK_EQ(sender.net.bulk.metrics.timeouts, 0);
}

DX_TEST(am_13_a_wrong_hash_fails_on_both_sides)
{
    be_receiver(&receiver);
    be_sender(&sender, 1000000, 1, 4);
    sender.net.bulk.object.hash[5] ^= 1; /* the announced hash does not match the data */
    run();
    DX_CHECK_EQ(receiver.net.bulk.state, DX_BULK_FAILED);
    DX_CHECK_EQ(receiver.net.bulk.error, DX_BULK_ECORRUPT);
    DX_CHECK_EQ(sender.net.bulk.state, DX_BULK_FAILED);
    DX_CHECK_EQ(sender.net.bulk.error, DX_BULK_EREMOTE);
    DX_CHECK_EQ(sender.net.bulk.status, DX_BULK_WRONG_HASH);
}

DX_TEST(am_3_another_transfer_is_kept_out)
{
    pthread_t r, s, t;
    be_receiver(&receiver);
    be_sender(&stranger, 2000000, 9, 2);
    be_sender(&sender, 2000000, 1, 2);
    sender.net.bulk.desc_.rate = 2000000; /* one second, so that both are connected */
    DX_CHECK_EQ(pthread_create(&r, NULL, receive, &receiver), 0);
    DX_CHECK_EQ(pthread_create(&s, NULL, send_all, &sender), 0);
    while (!receiver.running && dx_bulk_net_now_ns() < receiver.until_ns) usleep(1000);
    stranger.until_ns = dx_bulk_net_now_ns() + S / 2;
    DX_CHECK_EQ(pthread_create(&t, NULL, send_all, &stranger), 0);
    pthread_join(s, NULL);
    pthread_join(t, NULL);
    pthread_join(r, NULL);
    check_done(2000000);
    DX_CHECK(stranger.net.bulk.state != DX_BULK_DONE);
    DX_CHECK(receiver.net.bulk.metrics.bad_frames > 0);
}

DX_TEST(the_method_of_the_checksum_has_a_name)
{
    const char *const method = dx_crc32c_method();
#ifdef DX_CRC32C_PORTABLE
    DX_CHECK_STR(method, "portable");
#else
    DX_CHECK(!strcmp(method, "sse4.2") || !strcmp(method, "armv8") || !strcmp(method, "portable"));
#endif
}

/* The instructions give the same result as the nibble table, at every size around their steps, and in pieces. */
DX_TEST(the_checksum_is_the_same_with_instructions)
{
    static uint8_t bytes[40000];
    DX_CHECK_EQ(dx_crc32c_update(0, "123456789", 9), 0xe3069283u); /* RFC 3720's check value */
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 167 + (i >> 7));
    for (size_t size = 0; size < 70; size++)
        DX_CHECK_EQ(dx_crc32c_update(0, bytes + size, size), dx_crc32c_p_crc32c(0, bytes + size, size));
    for (size_t size = 16360; size < 16390; size++) {
        DX_CHECK_EQ(dx_crc32c_update(7, bytes, size), dx_crc32c_p_crc32c(7, bytes, size));
        DX_CHECK_EQ(dx_crc32c_update(dx_crc32c_update(0, bytes, size), bytes + size, 33), dx_crc32c_p_crc32c(0, bytes, size + 33));
    }
    DX_CHECK_EQ(dx_crc32c_update(0, bytes, sizeof bytes), dx_crc32c_p_crc32c(0, bytes, sizeof bytes));
}
