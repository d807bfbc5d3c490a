/* Tests of programs/dxwan/net/: transfers between two files over TCP on loopback, options and statistics of sockets.
   Both sides take turns in one thread, each with its own loop. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_HBTP_CRC32C dx_crc32c_update
#define DX_BULK_CRC32C dx_crc32c_update
#include "../../programs/common/os_posix.c"
#include "../../programs/common/base.c"
#include "../../programs/common/line.c"
#include "../../programs/common/message.c"
#include "../../programs/common/nearest.c"
#include "../../programs/common/options.c"
#include "../../programs/dxwan/net/address.c"
#include "../../programs/dxwan/net/bulk.c"
#include "../../programs/dxwan/net/loop.c"
#include "../../programs/dxwan/net/path.c"
#include "../../programs/dxwan/net/region.c"
#include "../../programs/dxwan/net/thin.c"
#include "../../programs/dxwan/net/tls.c"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <arpa/inet.h>
#include <sys/mman.h>

enum {
    MOST    = 5000001,
    CHUNK   = 16384,
    STREAMS = 64,
    LONG_S  = 120 /* then a test has failed */
};

/* >>one side ------------------------------------------------------------ */
typedef struct side {
    wan_loop       loop;
    wan_bulk       bulk;
    wan_ender      ender; /* never asked: no signals */
    wan_options    options;
    dx_bulk_object object;
    int            file;
    uint64_t       wake;
    uint32_t       streams;
    dx_link_dialer dialers[STREAMS];
    bool           again[STREAMS]; /* dial at once */
    dx_reactor_address at;
    uint64_t       seed;
    int            listener;
    bool           small;          /* receives into small buffers of the kernel */
    bool           open;
} side;

static side sender, receiver, stranger;
static uint8_t source[MOST], target[MOST], state[4096];

static void hash(const uint8_t *p, uint64_t size, uint8_t out[32])
{
    const uint64_t h = prog_fnv(PROG_FNV_START, p, (size_t)size);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(h >> i % 8 * 8);
}

static void on_opened(dx_link *l, dx_link_id id)
{
    side *s = l->desc.user;
    char active[16];
    DX_CHECK(wan_path_set_up(dx_link_fd(l, id), NULL, active));
    if (s->small) wan_path_set_buffers(dx_link_fd(l, id), 0, 8192);
    if (!wan_bulk_add(&s->bulk, id)) {
        (void)dx_link_abort(l, id);
        return;
    }
    wan_stream *stream = dx_link_session(l, id)->desc.user;
    while (stream->owner < s->streams && s->dialers[stream->owner].id != id) stream->owner++;
}

static void on_writable(dx_link *l, dx_link_id id)
{
    wan_stream *stream = dx_link_session(l, id)->desc.user;
    if (stream) wan_bulk_pump(stream);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    side *s = l->desc.user;
    const wan_stream *stream = dx_link_session(l, id)->desc.user;
    (void)reason;
    if (stream && stream->owner < s->streams) s->again[stream->owner] = true;
    wan_bulk_remove(&s->bulk, id);
}

static int on_frame(const dx_hbtp_context *context)
{
    wan_stream *stream = context->session->desc.user;
    return stream ? wan_bulk_handle(stream, context) : (int)DX_HBTP_ENOTFOUND;
}

static void begin(side *s, uint32_t links_max, uint32_t block_size, const dx_bulk_desc *bulk)
{
    dx_link_desc links = {0};
    links.links_max = links_max;
    links.block_size = block_size;
    links.user = s;
    links.opened = on_opened;
    links.writable = on_writable;
    links.closed = on_closed;
    s->options.timeout_ns = LONG_S * SECOND;
    s->options.ender = &s->ender;
    DX_CHECK_EQ(wan_loop_open(&s->loop, &links, &s->options, false), PROG_OK);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_FILE_CHUNK, on_frame, NULL);
    wan_bulk_begin(&s->bulk, &s->loop.links, s->file, bulk);
    s->open = true;
}

static void be_receiver(side *s, bool keep)
{
    dx_bulk_desc bulk = {0};
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    const int file = keep ? s->file : memfd_create("target", MFD_CLOEXEC);
    memset(s, 0, sizeof *s);
    s->file = file;
    begin(s, WAN_STREAMS_MAX, 0, &bulk);
    DX_CHECK_EQ(wan_listen("127.0.0.1:0", &s->listener, text), PROG_OK);
    DX_CHECK_EQ(wan_loop_accept(&s->loop, s->listener), PROG_OK);
    DX_CHECK_EQ(wan_address_find(&s->at, text), PROG_OK);
}

static void describe_object(side *s, uint64_t size, uint32_t transfer)
{
    for (uint64_t i = 0; i < size; i++) source[i] = (uint8_t)(i * i >> 7 ^ i);
    memset(s, 0, sizeof *s);
    s->object.size = size;
    s->object.transfer = transfer;
    s->object.chunk_size = CHUNK;
    hash(source, size, s->object.hash);
    s->file = memfd_create("source", MFD_CLOEXEC);
    DX_CHECK_EQ(os_write_at(s->file, 0, source, (size_t)size), 0);
}

static void dial(side *s, uint32_t streams, uint64_t rate)
{
    dx_bulk_desc bulk = {0};
    bulk.object = &s->object;
    bulk.patient = true;
    bulk.rate = rate;
    s->streams = streams;
    s->at = receiver.at;
    begin(s, streams, CHUNK + 4096, &bulk);
    for (uint32_t i = 0; i < streams; i++)
        DX_CHECK_EQ(dx_link_dial(&s->loop.links, &s->dialers[i], &s->at, s->seed++), 0);
}

static void be_sender(side *s, uint64_t size, uint32_t streams)
{
    describe_object(s, size, 1);
    dial(s, streams, 0);
}

static void end(side *s, bool keep)
{
    if (!s->open) return;
    for (uint32_t i = 0; i < s->streams; i++) dx_link_dial_end(&s->dialers[i]);
    wan_loop_drain(&s->loop);
    wan_loop_close(&s->loop);
    wan_bulk_end(&s->bulk);
    if (s->listener) os_close(s->listener);
    if (!keep) os_close(s->file);
    s->open = false;
}

/* One turn, as the commands make it. */
static void turn(side *s, uint64_t wait_ns)
{
    const uint64_t now = (uint64_t)prog_now_ns();
    dx_bulk *b = &s->bulk.bulk;
    uint8_t got[32];
    if (s->bulk.stale || now >= s->wake) {
        wan_bulk_pump_all(&s->bulk);
        s->wake = dx_bulk_wake(b, now);
    }
    DX_CHECK_EQ(wan_loop_turn(&s->loop, now + wait_ns), PROG_OK);
    for (uint32_t i = 0; i < s->streams; i++) {
        if (!s->again[i] || b->state >= DX_BULK_DONE) continue;
        s->again[i] = false;
        dx_link_dial_end(&s->dialers[i]);
        DX_CHECK_EQ(dx_link_dial(&s->loop.links, &s->dialers[i], &s->at, s->seed++), 0);
    }
    if (b->state != DX_BULK_WHOLE || s->bulk.sends) return;
    DX_CHECK_EQ(prog_read_at(s->file, 0, target, (size_t)b->object.size), (int64_t)b->object.size);
    hash(target, b->object.size, got);
    (void)dx_bulk_verify(b, !memcmp(got, b->object.hash, sizeof got));
    s->bulk.stale = true;
}

static uint64_t started_ns;
static bool is_late(void) { return (uint64_t)prog_now_ns() - started_ns > LONG_S * SECOND; }

/* Until the sender knows the end. */
static void run(void)
{
    started_ns = (uint64_t)prog_now_ns();
    while (sender.bulk.bulk.state < DX_BULK_DONE && !is_late()) {
        turn(&sender, 1000000);
        turn(&receiver, 0);
    }
}

static void check_done(uint64_t size)
{
    DX_CHECK_EQ(receiver.bulk.bulk.state, DX_BULK_DONE);
    DX_CHECK_EQ(sender.bulk.bulk.state, DX_BULK_DONE);
    memset(target, 0, sizeof target);
    DX_CHECK_EQ(prog_read_at(receiver.file, 0, target, sizeof target), (int64_t)size);
    DX_CHECK(!memcmp(source, target, (size_t)size));
    DX_CHECK_EQ(receiver.bulk.bulk.metrics.bytes_done, size);
    DX_CHECK_EQ(sender.bulk.bulk.metrics.bytes_done, size);
}

static void end_both(void)
{
    end(&sender, false);
    end(&receiver, false);
}

/* >>transfers ----------------------------------------------------------- */
DX_TEST(am_1_am_4_objects_arrive_over_1_4_16_and_64_links)
{
    static const uint32_t counts[] = {1, 4, 16, 64};
    static const uint64_t sizes[] = {0, 1, CHUNK, 100001, 3000001};
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 5; k++) {
            be_receiver(&receiver, false);
            be_sender(&sender, sizes[k], counts[i]);
            run();
            check_done(sizes[k]);
            DX_CHECK(sender.bulk.bulk.metrics.opened <= counts[i]);
            DX_CHECK_EQ(sender.bulk.faults + receiver.bulk.faults, 0);
            end_both();
        }
    }
}

/* A reset, or an orderly close, of a link that takes part. */
static void cut_one(side *s, dx_choices *c)
{
    const struct linger now = {1, 0};
    const uint32_t from = (uint32_t)dx_choose(c, STREAMS - 1);
    const bool resets = dx_choose(c, 1) == 1;
    for (uint32_t i = 0; i < STREAMS; i++) {
        const wan_stream *stream = &s->bulk.streams[(from + i) % STREAMS];
        if (!stream->id) continue;
        const int fd = dx_link_fd(&s->loop.links, stream->id);
        if (resets) (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        (void)shutdown(fd, SHUT_RDWR);
        return;
    }
}

/* Each cut at a random number of bytes, on a random side. */
DX_PROPERTY(am_10_links_are_cut_at_random_moments, 8)
{
    static const uint32_t counts[] = {1, 4, 16, 64};
    const uint32_t streams = counts[dx_choose(c, 3)];
    uint32_t cuts = 1 + (uint32_t)dx_choose(c, 8);
    be_receiver(&receiver, false);
    be_sender(&sender, MOST, streams);
    started_ns = (uint64_t)prog_now_ns();
    uint64_t next = dx_choose(c, 1000000);
    while (sender.bulk.bulk.state < DX_BULK_DONE && !is_late()) {
        turn(&sender, 1000000);
        turn(&receiver, 0);
        if (!cuts || sender.bulk.bulk.metrics.bytes < next || !sender.bulk.bulk.metrics.connections) continue;
        cut_one(dx_choose(c, 1) ? &sender : &receiver, c);
        next = sender.bulk.bulk.metrics.bytes + dx_choose(c, 500000);
        cuts--;
    }
    check_done(MOST);
    DX_CHECK(sender.bulk.bulk.metrics.dropped >= 1);
    DX_CHECK(sender.bulk.bulk.metrics.bytes >= MOST);
    end_both();
}

DX_TEST(am_15_a_receiver_starts_again_with_its_bitmap)
{
    be_receiver(&receiver, false);
    be_sender(&sender, 5000000, 4);
    started_ns = (uint64_t)prog_now_ns();
    while (receiver.bulk.bulk.metrics.bytes_done < 3000000 && !is_late()) {
        turn(&sender, 1000000);
        turn(&receiver, 0);
    }
    const uint64_t had = receiver.bulk.bulk.metrics.bytes_done;
    const int64_t size = dx_bulk_save(&receiver.bulk.bulk, state, sizeof state);
    DX_CHECK(size > 0);
    DX_CHECK(had >= 3000000 && had < 5000000);
    end(&sender, false);
    DX_CHECK(sender.bulk.bulk.state != DX_BULK_DONE);
    end(&receiver, true);
    be_receiver(&receiver, true);
    DX_CHECK_EQ(dx_bulk_load(&receiver.bulk.bulk, state, (size_t)size), 0);
    describe_object(&sender, 5000000, 8);
    dial(&sender, 4, 0);
    run();
    check_done(5000000);
    DX_CHECK(sender.bulk.bulk.metrics.bytes < 5000000 - had + 1000000); /* not all of it again */
    end_both();
}

/* A receiver with small buffers takes one turn for many of the sender's. */
DX_TEST(am_6_am_8_a_slow_reader_gets_all_of_it)
{
    be_receiver(&receiver, false);
    receiver.small = true;
    be_sender(&sender, 1500000, 4);
    started_ns = (uint64_t)prog_now_ns();
    for (uint32_t i = 1; sender.bulk.bulk.state < DX_BULK_DONE && !is_late(); i++) {
        turn(&sender, 100000);
        if (i % 8 == 0) turn(&receiver, 0);
    }
    check_done(1500000);
    DX_CHECK_EQ(sender.bulk.bulk.metrics.timeouts, 0);
    DX_CHECK_EQ(sender.bulk.bulk.metrics.dropped, 0);
    end_both();
}

DX_TEST(am_13_a_wrong_hash_fails_on_both_sides)
{
    be_receiver(&receiver, false);
    describe_object(&sender, 1000000, 1);
    sender.object.hash[5] ^= 1; /* not that of the content */
    dial(&sender, 4, 0);
    run();
    DX_CHECK_EQ(receiver.bulk.bulk.state, DX_BULK_FAILED);
    DX_CHECK_EQ(receiver.bulk.bulk.error, DX_BULK_ECORRUPT);
    DX_CHECK_EQ(sender.bulk.bulk.state, DX_BULK_FAILED);
    DX_CHECK_EQ(sender.bulk.bulk.error, DX_BULK_EREMOTE);
    DX_CHECK_EQ(sender.bulk.bulk.status, DX_BULK_WRONG_HASH);
    end_both();
}

DX_TEST(am_3_another_transfer_is_kept_out)
{
    be_receiver(&receiver, false);
    describe_object(&sender, 500000, 1);
    dial(&sender, 2, 4000000); /* an eighth of a second, in which the stranger comes */
    started_ns = (uint64_t)prog_now_ns();
    while (receiver.bulk.bulk.state < DX_BULK_RUNNING && !is_late()) {
        turn(&sender, 1000000);
        turn(&receiver, 0);
    }
    describe_object(&stranger, 500000, 9);
    dial(&stranger, 2, 0);
    while ((sender.bulk.bulk.state < DX_BULK_DONE || !receiver.bulk.bulk.metrics.bad_frames) && !is_late()) {
        turn(&sender, 1000000);
        turn(&stranger, 0);
        turn(&receiver, 0);
    }
    check_done(500000);
    DX_CHECK(stranger.bulk.bulk.state < DX_BULK_DONE);
    DX_CHECK_EQ(stranger.bulk.bulk.metrics.bytes_done, 0);
    DX_CHECK(receiver.bulk.bulk.metrics.bad_frames > 0);
    DX_CHECK_EQ(receiver.bulk.fault, DX_BULK_ENOTFOUND);
    end(&stranger, false);
    end_both();
}

/* >>sockets ------------------------------------------------------------- */
DX_TEST(am_7_options_are_set_and_read_back)
{
    char used[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0), v = 0;
    socklen_t size = sizeof v;
    const bool tells = wan_path_set_up(fd, NULL, used) && used[0]; /* an emulated Linux does not */
    DX_CHECK(wan_path_set_up(fd, "reno", used) == tells);
    DX_CHECK_STR(used, tells ? "reno" : "");
    DX_CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, &size) && v);
    DX_CHECK(!getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, &size) && v);
    DX_CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, &size) && v == KEEPALIVE_S);
    DX_CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &v, &size) && v == UNSENT_MAX);
    wan_path_set_buffers(fd, 1 << 20, 1 << 20);
    DX_CHECK(!getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, &size) && v >= 65536); /* the system may cap it */
    DX_CHECK(!wan_path_set_up(fd, "no-such-one", used)); /* then the system's default, which is reported */
    DX_CHECK_STR(used, tells ? "reno" : "");
    close(fd);
}

/* Segments that the kernel has repeated so far: under load this happens on loopback, too. */
static uint64_t repeated(int fd)
{
    struct tcp_info i = {0}; /* an emulated Linux reports nothing */
    socklen_t size = sizeof i;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &size)) return 0;
    return size < offsetof(struct tcp_info, tcpi_total_retrans) + sizeof i.tcpi_total_retrans ? 0 : i.tcpi_total_retrans;
}

DX_TEST(am_12_the_kernel_tells_of_windows_and_round_trips)
{
    static uint8_t data[65536];
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    dx_reactor_address at;
    int listener, fds[2];
    wan_paths all = {0};
    DX_CHECK_EQ(wan_listen("127.0.0.1:0", &listener, text), PROG_OK);
    DX_CHECK_EQ(wan_address_find(&at, text), PROG_OK);
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        DX_CHECK_EQ(connect(fds[i], (const struct sockaddr *)(const void *)at.bytes, at.size), 0);
        DX_CHECK(write(fds[i], data, sizeof data) > 0);
    }
    const uint64_t before = repeated(fds[0]) + repeated(fds[1]);
    for (int i = 0; i < 2; i++) wan_path_add(&all, fds[i]);
    wan_path_add(&all, -1); /* closed: not counted */
    DX_CHECK(all.retransmitted >= before && all.retransmitted <= repeated(fds[0]) + repeated(fds[1]));
    if (all.connections) { /* not on an emulated Linux, which reports nothing */
        DX_CHECK_EQ(all.connections, 2);
        DX_CHECK(all.retransmitted || (all.window >= 2 * 536 && all.in_flight <= all.window));
        DX_CHECK(all.rtt_us > 0 && all.rtt_us < 60000000);
    } else {
        struct tcp_info i;
        socklen_t size = sizeof i;
        DX_CHECK(getsockopt(fds[0], IPPROTO_TCP, TCP_INFO, &i, &size) || size < sizeof i / 2);
    }
    for (int i = 0; i < 2; i++) close(fds[i]);
    os_close(listener);
}

/* The look of send and of mirror at a connection: what was delivered counts once, and never less than before. */
DX_TEST(a_look_tells_what_was_delivered_since_the_last)
{
    static uint8_t data[65536];
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    dx_reactor_address at;
    wan_paths last = {0};
    int listener;
    uint64_t sum = 0;
    DX_CHECK_EQ(wan_listen("127.0.0.1:0", &listener, text), PROG_OK);
    DX_CHECK_EQ(wan_address_find(&at, text), PROG_OK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    DX_CHECK_EQ(connect(fd, (const struct sockaddr *)(const void *)at.bytes, at.size), 0);
    for (int turn = 0; turn < 3; turn++) {
        DX_CHECK_EQ(write(fd, data, 1000), 1000);
        for (int tries = 0; tries < 500 && last.delivered < 1000 * (turn + 1u); tries++) {
            sum += wan_path_look(&last, fd).delivered;
            DX_CHECK_EQ(sum, last.delivered);
            if (!last.delivered && !last.segments) break; /* an emulated Linux reports nothing */
            usleep(1000);
        }
    }
    if (last.delivered) {
        DX_CHECK(sum >= 3000 && sum <= 3001); /* the kernel counts the SYN */
        DX_CHECK(last.segments >= 3);
    }
    DX_CHECK_EQ(wan_path_look(&last, fd).delivered, 0);
    last.delivered += 500;
    last.segments += 500;
    last.retransmitted += 500;
    const uint64_t most = last.delivered;
    const wan_paths grown = wan_path_look(&last, fd);
    DX_CHECK(!grown.delivered && !grown.segments && !grown.retransmitted);
    DX_CHECK_EQ(last.delivered, most); /* it stays at its highest, */
    DX_CHECK(last.segments < 500 && last.retransmitted < 500); /* the others are those of now */
    DX_CHECK_EQ(wan_path_look(&last, -1).delivered, 0); /* closed */
    close(fd);
    os_close(listener);
}
