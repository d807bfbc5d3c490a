/* The connection layer of dx_reactor.h: on every backend of this system, and a model of it on the simulated one. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../../layers/dx_peers.h"
#include "../dx_reactor_sim.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../cores/reactor_kit.h"

static uint64_t started(const dx_reactor *r)
{
    dx_reactor_stats stats;
    dx_reactor_get_stats(r, &stats);
    return stats.started;
}

/* >>world --------------------------------------------------------------

   A set of connections that answers incoming data and logs its callbacks. */
typedef struct world {
    loop l;
    dx_peers s;
    dx_peers_desc d;
    dx_reactor_address at;
    int      listening;
    uint32_t opened, closed, drained, ends;
    int32_t  reason; /* the last */
    dx_peers_id id; /* of the last opened connection */
    uint64_t bytes;
    uint32_t whole;  /* the size of a message; 0: consume everything */
    bool     silent; /* answers nothing */
    bool     keeps;  /* stays half-open when the peer has ended */
} world;

static void note_opened(dx_peers *s, dx_peers_id id)
{
    world *w = (world *)s->desc.user;
    w->opened++;
    w->id = id;
    DX_CHECK(dx_peers_fd(s, id) >= 0);
    DX_CHECK_EQ(*dx_peers_data(s, id), 0);
    *dx_peers_data(s, id) = (uint64_t)(uintptr_t)w;
}

static size_t note_received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    world *w = (world *)s->desc.user;
    size_t used = w->whole ? size / w->whole * w->whole : size;
    if (last) {
        w->ends++;
        if (!w->keeps) DX_CHECK_EQ(dx_peers_close(s, id, false), 0);
        return 0;
    }
    DX_CHECK(size > 0);
    if (used && !w->silent && dx_peers_send(s, id, bytes, (uint32_t)used) != 0) return 0;
    w->bytes += used;
    return used;
}

static void note_drained(dx_peers *s, dx_peers_id id)
{
    world *w = (world *)s->desc.user;
    w->drained++;
    DX_CHECK(dx_peers_queued(s, id) <= s->desc.high_water / 2);
}

static void note_closed(dx_peers *s, dx_peers_id id, int32_t reason)
{
    world *w = (world *)s->desc.user;
    w->closed++;
    w->reason = reason;
    DX_CHECK(*dx_peers_data(s, id) == (uint64_t)(uintptr_t)w || w->id != id);
    DX_CHECK_EQ(dx_peers_send(s, id, "x", 1), DX_PEERS_ENOTFOUND);
}

static void world_set(world *w, dx_reactor *r)
{
    w->d.user = w;
    w->d.opened = note_opened;
    w->d.received = note_received;
    w->d.drained = note_drained;
    w->d.closed = note_closed;
    w->d.memory_size = dx_peers_memory_size(&w->d);
    DX_CHECK(w->d.memory_size > 0);
    w->d.memory = malloc(w->d.memory_size);
    DX_CHECK_EQ(dx_peers_open(&w->s, r, &w->d), 0);
}

static void world_open(world *w, int backend)
{
    if (!w->l.desc.buffer_count) {
        w->l.desc.buffer_count = 16;
        w->l.desc.buffer_size = 4096;
    }
    loop_open(&w->l, backend);
    world_set(w, &w->l.r);
    w->listening = listener(&w->l, &w->at);
    DX_CHECK_EQ(dx_peers_listen(&w->s, w->listening), 0);
    DX_CHECK_EQ(dx_peers_listen(&w->s, w->listening), DX_PEERS_EINVAL);
}

static void world_close(world *w)
{
    loop_close(&w->l);
    DX_CHECK_EQ(w->s.count, 0);
    DX_CHECK_EQ(w->opened, w->closed);
    DX_CHECK_EQ(w->s.blocks_left_, w->s.desc.block_count);
    shut(w->listening);
    free(w->d.memory);
}

static int dial(world *w)
{
    struct sockaddr_in a;
    int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    memcpy(&a, w->at.bytes, sizeof a);
    DX_CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void turn(world *w, int times)
{
    while (times--) DX_CHECK(dx_reactor_run_once(&w->l.r, 5 * (int64_t)MS) >= 0);
}

#define UNTIL(condition)                                                   \
    do {                                                                   \
        uint64_t end_ = now_ns() + LONG;                                 \
        while (!(condition)) {                                             \
            DX_CHECK(now_ns() < end_);                                     \
            DX_CHECK(dx_reactor_run_once(&w.l.r, 20 * (int64_t)MS) >= 0);      \
        }                                                                  \
    } while (0)

/* Read without waiting. -1: nothing; 0: the end. */
static ssize_t look(int fd, void *out, size_t size)
{
    return recv(fd, out, size, MSG_DONTWAIT);
}

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

/* Read until the end, running the loop meanwhile; every byte is checked. */
static uint64_t read_all(world *w, int fd)
{
    static uint8_t got[65536];
    uint64_t count = 0, end = now_ns() + LONG;
    for (;;) {
        ssize_t n = look(fd, got, sizeof got);
        DX_CHECK(now_ns() < end);
        if (n == 0) return count;
        for (ssize_t i = 0; i < n; i++) DX_CHECK_EQ(got[i], pattern(count + (uint64_t)i));
        if (n > 0) count += (uint64_t)n;
        else DX_CHECK(dx_reactor_run_once(&w->l.r, (int64_t)MS) >= 0);
    }
}

static void fill(uint8_t *out, size_t size, uint64_t at)
{
    for (size_t i = 0; i < size; i++) out[i] = pattern(at + i);
}

/* >>life --------------------------------------------------------------- */
/* Memory reported by dx_peers_unused() may be overwritten: it is never read again. */
EVERY(memory_of_blocks_is_given_back_between_rushes)
{
    static uint8_t sent[30000];
    world w = {0};
    void *memory = NULL;
    size_t size = 0, before = 0;
    w.d.block_size = 4096;
    world_open(&w, backend);
    DX_CHECK(!dx_peers_unused(&w.s, &memory, &size)); /* nothing was used yet */
    DX_CHECK(!dx_peers_unused(NULL, &memory, &size));
    int fd = dial(&w);
    for (int rush = 0; rush < 3; rush++) {
        fill(sent, sizeof sent, 0);
        DX_CHECK_EQ(send(fd, sent, sizeof sent, 0), sizeof sent);
        UNTIL(w.bytes == (uint64_t)(rush + 1) * sizeof sent);
        bool taken = w.s.blocks_left_ != w.s.desc.block_count;
        DX_CHECK(!taken || !dx_peers_unused(&w.s, &memory, &size));
        for (size_t got = 0; got < sizeof sent;) {
            uint8_t bytes[4096];
            ssize_t n = look(fd, bytes, sizeof bytes);
            for (ssize_t i = 0; i < n; i++) DX_CHECK_EQ(bytes[i], pattern(got + (uint64_t)i));
            if (n > 0) got += (size_t)n;
            else turn(&w, 1);
        }
        UNTIL(w.s.blocks_left_ == w.s.desc.block_count);
        DX_CHECK(dx_peers_unused(&w.s, &memory, &size));
        DX_CHECK(size >= 4096 && size <= w.d.memory_size && (!rush || memory == w.s.blocks_));
        DX_CHECK(!dx_peers_unused(&w.s, &memory, &before));
        memset(memory, 0xa5, size);
    }
    shut(fd);
    UNTIL(w.closed == 1);
    world_close(&w);
}

EVERY(sizes_limits_and_bad_arguments)
{
    world w = {0};
    dx_peers_desc d = {0};
    dx_peers_id id;
    uint8_t *out;
    size_t size;
    DX_CHECK_EQ(dx_peers_memory_size(NULL), 0);
    DX_CHECK_EQ(dx_peers_memory_size(&d), 0); /* received is missing */
    d.received = note_received;
    size = dx_peers_memory_size(&d);
    DX_CHECK(size > 1024 * 80 + 256 * 16384 && size < 1024 * 81 + 256 * 16600);
    d.peers_max = (1u << 24) + 1;
    DX_CHECK_EQ(dx_peers_memory_size(&d), 0);
    d.peers_max = 1, d.high_water = 1u << 31;
    DX_CHECK_EQ(dx_peers_memory_size(&d), 0);
    world_open(&w, backend);
    DX_CHECK_EQ(dx_peers_open(NULL, &w.l.r, &w.d), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_listen(&w.s, -1), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_add(&w.s, -1, NULL, &id), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_add(&w.s, 3, NULL, NULL), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_send(&w.s, 0, "x", 1), DX_PEERS_ENOTFOUND);
    DX_CHECK_EQ(dx_peers_send(NULL, 1, "x", 1), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_reserve(&w.s, UINT64_MAX, 1, &out), DX_PEERS_ENOTFOUND);
    DX_CHECK_EQ(dx_peers_close(NULL, 1, true), DX_PEERS_EINVAL);
    world_close(&w);
    w.l.desc.buffer_count = 0; /* a reactor without a pool cannot have connections */
    loop_open(&w.l, backend);
    d = w.d;
    DX_CHECK_EQ(dx_peers_open(&w.s, &w.l.r, &d), DX_PEERS_EINVAL);
    loop_close(&w.l);
}

DX_TEST(peers_errors_have_the_values_of_the_reactor)
{
#define SAME(value, name)                                    \
    DX_CHECK_EQ(DX_PEERS_##name, value);                     \
    DX_CHECK_EQ((int)DX_PEERS_##name, (int)DX_REACTOR_##name); \
    DX_CHECK_STR(dx_peers_error_name(value), "DX_PEERS_" #name);
    DX_PEERS_ERRORS(SAME)
#undef SAME
    DX_CHECK_STR(dx_peers_error_name(-99), "unknown error");
    DX_CHECK_STR(dx_peers_error_name(1), "unknown error");
}

EVERY(answers_come_back_whatever_the_pieces)
{
    world w = {0};
    uint8_t out[3000], in[3000];
    int fd;
    w.whole = 5; /* fewer than five bytes are kept */
    world_open(&w, backend);
    fill(out, sizeof out, 0);
    fd = dial(&w);
    for (size_t at = 0, piece = 1, got = 0; at < sizeof out; at += piece, piece = piece % 37 + 1) {
        if (piece > sizeof out - at) piece = sizeof out - at;
        DX_CHECK_EQ(send(fd, out + at, piece, 0), (ssize_t)piece);
        UNTIL(w.bytes == (at + piece) / 5 * 5);
        while (got < w.bytes) {
            ssize_t n = look(fd, in + got, sizeof in - got);
            if (n > 0) got += (size_t)n;
            else turn(&w, 1);
        }
    }
    DX_CHECK_MEM(in, out, sizeof in);
    DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    UNTIL(w.closed);
    DX_CHECK_EQ(w.reason, 0);
    DX_CHECK_EQ(look(fd, in, 1), 0);
    DX_CHECK_EQ(w.opened, 1);
    DX_CHECK_EQ(w.ends, 1);
    world_close(&w);
}

EVERY(half_close_goes_on_in_the_other_direction)
{
    world w = {0};
    static uint8_t piece[50000];
    uint64_t sent = 0;
    int fd;
    w.keeps = true;
    w.d.block_count = 64;
    world_open(&w, backend);
    fd = dial(&w);
    DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    UNTIL(w.ends);
    while (sent < 2000000) { /* after the peer's end */
        fill(piece, sizeof piece, sent);
        int error = dx_peers_send(&w.s, w.id, piece, sizeof piece);
        if (error) DX_CHECK_EQ(error, DX_REACTOR_EAGAIN);
        else sent += sizeof piece;
        if (error) {
            uint8_t got[65536];
            ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT | MSG_PEEK);
            if (n > 0) break; /* enough is in flight */
            turn(&w, 1);
        }
    }
    DX_CHECK_EQ(dx_peers_close(&w.s, w.id, false), 0);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, "x", 1), DX_PEERS_ECANCELED);
    DX_CHECK_EQ(read_all(&w, fd), sent);
    UNTIL(w.closed);
    DX_CHECK_EQ(w.reason, 0);
    DX_CHECK_EQ(w.ends, 1);
    world_close(&w);
}

EVERY(our_end_first_and_the_peer_goes_on)
{
    world w = {0};
    int fd;
    char end;
    w.silent = true;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened);
    DX_CHECK_EQ(dx_peers_close(&w.s, w.id, false), 0);
    DX_CHECK_EQ(recv(fd, &end, 1, 0), 0);
    for (int i = 0; i < 5; i++) {
        DX_CHECK_EQ(send(fd, "more", 4, 0), 4);
        UNTIL(w.bytes == (uint64_t)(i + 1) * 4);
    }
    DX_CHECK_EQ(w.closed, 0);
    shut(fd);
    UNTIL(w.closed);
    DX_CHECK_EQ(w.reason, 0);
    world_close(&w);
}

/* >>back-pressure ------------------------------------------------------- */
EVERY(a_slow_reader_stops_the_receiving_and_loses_nothing)
{
    world w = {0};
    static uint8_t piece[40000];
    uint64_t sent = 0, still = 0;
    int fd, small = 200000;
    w.d.block_count = 64;
    w.d.block_size = 8192;
    w.d.high_water = 65536;
    world_open(&w, backend);
    fd = dial(&w);
    DX_CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    UNTIL(w.opened);
    for (uint64_t end = now_ns() + LONG; still < 20 && now_ns() < end;) {
        ssize_t n;
        fill(piece, sizeof piece, sent);
        n = send(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) sent += (uint64_t)n, still = 0;
        else still++;
        DX_CHECK(dx_peers_queued(&w.s, w.id) <= 65536 + 4096);
        turn(&w, 1);
    }
    DX_CHECK(still >= 20 && sent < 64 << 20);
    DX_CHECK_EQ(w.closed, 0);
    DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    DX_CHECK_EQ(read_all(&w, fd), sent);
    DX_CHECK(w.drained > 0);
    UNTIL(w.closed);
    DX_CHECK_EQ(w.reason, 0);
    world_close(&w);
}

/* Many peers that do not read get half of the blocks, then half of the rest ...; one that reads is served. */
EVERY(slow_readers_leave_blocks_for_the_others)
{
    world w = {0};
    static uint8_t piece[40000], back[64];
    int slow[12], fd;
    w.d.block_count = 64;
    w.d.block_size = 4096;
    w.d.high_water = 1 << 20;
    w.l.desc.buffer_count = 64;
    world_open(&w, backend);
    for (int i = 0; i < 12; i++) slow[i] = dial(&w);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 12; i++) {
            for (int k = 0; k < 50 && send(slow[i], piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL) > 0; k++)
                DX_CHECK(dx_reactor_run_once(&w.l.r, 0) >= 0);
        }
        for (int k = 0; k < 50; k++) DX_CHECK(dx_reactor_run_once(&w.l.r, 0) >= 0);
    }
    fd = dial(&w);
    for (int i = 0; i < 20; i++) {
        size_t got = 0;
        DX_CHECK_EQ(send(fd, "are you there, server?", 22, 0), 22);
        for (uint64_t end = now_ns() + LONG; got < 22 && now_ns() < end; turn(&w, 1)) {
            ssize_t n = look(fd, back, sizeof back);
            if (n > 0) got += (size_t)n;
        }
        DX_CHECK_EQ(got, 22);
    }
    for (int i = 0; i < 12; i++) shut(slow[i]);
    shut(fd);
    UNTIL(w.closed == 13);
    world_close(&w);
}

EVERY(what_is_produced_in_one_batch_is_one_send)
{
    world w = {0};
    uint8_t back[4000];
    uint8_t *out;
    uint64_t before;
    size_t got = 0;
    int fd;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened);
    turn(&w, 2);
    before = started(&w.l.r);
    for (int i = 0; i < 100; i++) {
        DX_CHECK_EQ(dx_peers_send(&w.s, w.id, "twenty bytes, always", 20), 0);
        DX_CHECK_EQ(dx_peers_reserve(&w.s, w.id, 20, &out), 0);
        memcpy(out, "twenty more, in here", 20);
        DX_CHECK_EQ(dx_peers_commit(&w.s, w.id, 20), 0);
    }
    DX_CHECK_EQ(dx_peers_queued(&w.s, w.id), 4000);
    DX_CHECK_EQ(started(&w.l.r), before);
    while (got < 4000) {
        ssize_t n = look(fd, back + got, 4000 - got);
        if (n > 0) got += (size_t)n;
        else turn(&w, 1);
    }
    DX_CHECK_EQ(started(&w.l.r), before + 1);
    for (int i = 0; i < 4000; i += 40) DX_CHECK_MEM(back + i, "twenty bytes, alwaystwenty more, in here", 40);
    DX_CHECK_EQ(dx_peers_reserve(&w.s, w.id, 16385, &out), DX_PEERS_ETOOBIG);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, back, UINT32_MAX), DX_PEERS_ETOOBIG);
    DX_CHECK_EQ(dx_peers_reserve(&w.s, w.id, 16384, &out), 0);
    DX_CHECK_EQ(dx_peers_commit(&w.s, w.id, 16385), DX_PEERS_EINVAL);
    DX_CHECK_EQ(dx_peers_commit(&w.s, w.id, 0), 0);
    DX_CHECK_EQ(dx_peers_queued(&w.s, w.id), 0);
    world_close(&w);
    DX_CHECK_EQ(w.reason, -ECANCELED);
}

/* A reservation that is not used leaves nothing: no block, and no empty send. The program reserves after the last
   output, then more than there is, so that drained is called once that output has been sent. */
static void want_nothing(dx_peers *s, dx_peers_id id)
{
    world *w = (world *)s->desc.user;
    uint8_t *out;
    w->drained++;
    DX_CHECK_EQ(dx_peers_reserve(s, id, s->desc.block_size, &out), 0);
    DX_CHECK_EQ(dx_peers_commit(s, id, 0), 0);
}

EVERY(room_that_was_reserved_for_nothing_is_free_again)
{
    static uint8_t all[4 * 4096];
    world w = {0};
    uint8_t *out;
    int fd;
    w.d.block_count = 4;
    w.d.block_size = 4096;
    w.d.high_water = sizeof all;
    world_open(&w, backend);
    w.s.desc.drained = want_nothing;
    fd = dial(&w);
    UNTIL(w.opened);
    for (uint32_t round = 1; round <= 3; round++) {
        DX_CHECK_EQ(dx_peers_send(&w.s, w.id, "x", 1), 0);
        DX_CHECK_EQ(dx_peers_reserve(&w.s, w.id, 4096, &out), 0);
        DX_CHECK_EQ(dx_peers_commit(&w.s, w.id, 0), 0);
        const uint32_t left = w.s.blocks_left_;
        DX_CHECK_EQ(dx_peers_queued(&w.s, w.id), 1);
        DX_CHECK_EQ(dx_peers_send(&w.s, w.id, all, sizeof all), DX_PEERS_EAGAIN);
        UNTIL(w.drained == round);
        turn(&w, 4);
        DX_CHECK_EQ(dx_peers_queued(&w.s, w.id), 0);
        DX_CHECK_EQ(w.s.blocks_left_, 4);
        DX_CHECK_EQ(left, 3);
    }
    shut(fd);
    world_close(&w);
}

EVERY(a_message_that_never_ends_is_refused)
{
    world w = {0};
    static uint8_t piece[100000];
    int fd;
    w.whole = 1 << 30;
    w.d.block_size = 10000;
    world_open(&w, backend);
    fd = dial(&w);
    for (size_t at = 0; at < sizeof piece && !w.closed;) {
        ssize_t n = send(fd, piece + at, sizeof piece - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) at += (size_t)n;
        turn(&w, 1);
    }
    UNTIL(w.closed);
    DX_CHECK_EQ(w.reason, -EMSGSIZE);
    world_close(&w);
}

/* A message that fits into a block is delivered whole, although it arrived in pieces and spans blocks. */
EVERY(a_message_as_long_as_a_block_comes_whole)
{
    world w = {0};
    static uint8_t message[30000];
    int fd;
    w.whole = 10000;
    w.d.block_size = 10000;
    w.l.desc.buffer_count = 16;
    w.l.desc.buffer_size = 1504;
    world_open(&w, backend);
    fd = dial(&w);
    fill(message, sizeof message, 0);
    for (int i = 0; i < 30; i++) {
        size_t cut = (size_t)(i * 997) % sizeof message;
        w.bytes = 0;
        DX_CHECK_EQ(send(fd, message, cut, 0), (ssize_t)cut);
        turn(&w, 3);
        DX_CHECK_EQ(send(fd, message + cut, sizeof message - cut, 0), (ssize_t)(sizeof message - cut));
        UNTIL(w.bytes == sizeof message);
        for (size_t got = 0; got < sizeof message;) {
            static uint8_t back[30000];
            ssize_t n = look(fd, back, sizeof back);
            if (n > 0) DX_CHECK_MEM(back, message + got, (size_t)n);
            if (n > 0) got += (size_t)n;
            else turn(&w, 1);
        }
    }
    world_close(&w);
}

EVERY(e_05_no_block_for_anything_closes_and_says_why)
{
    world w = {0};
    int fd;
    w.whole = 100;
    w.d.block_count = 1;
    world_open(&w, backend);
    fd = dial(&w);
    dial(&w);
    DX_CHECK_EQ(send(fd, "part", 4, 0), 4); /* takes the only block */
    UNTIL(w.opened == 2 && w.s.blocks_left_ == 0);
    fd = dial(&w);
    UNTIL(w.opened == 3);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, "x", 1), DX_PEERS_ENOSPACE);
    UNTIL(w.closed == 1);
    DX_CHECK_EQ(w.reason, -ENOBUFS);
    fd = dial(&w);
    UNTIL(w.opened == 4);
    DX_CHECK_EQ(send(fd, "part", 4, 0), 4);
    UNTIL(w.closed == 2);
    DX_CHECK_EQ(w.reason, -ENOBUFS);
    world_close(&w);
}

/* >>faults ------------------------------------------------------------- */
EVERY(a_reset_in_the_middle_of_a_send)
{
    world w = {0};
    static uint8_t piece[1 << 20];
    struct linger hard = {1, 0};
    w.d.block_count = 256;
    w.d.high_water = 1 << 22;
    world_open(&w, backend);
    for (int i = 0; i < 20; i++) {
        int fd = dial(&w);
        uint32_t before = w.closed;
        UNTIL(w.opened == (uint32_t)i + 1);
        DX_CHECK_EQ(dx_peers_send(&w.s, w.id, piece, sizeof piece), 0);
        turn(&w, i % 3);
        DX_CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        shut(fd);
        UNTIL(w.closed == before + 1);
        DX_CHECK(w.reason == -ECONNRESET || w.reason == -EPIPE);
        DX_CHECK_EQ(dx_peers_queued(&w.s, w.id), 0);
        turn(&w, 2);
        DX_CHECK_EQ(w.closed, before + 1);
        DX_CHECK_EQ(w.s.blocks_left_, 256);
    }
    world_close(&w);
}

EVERY(a_handle_used_after_close)
{
    world w = {0};
    dx_peers_id old;
    uint8_t *out;
    int fd = -1;
    world_open(&w, backend);
    for (uint32_t i = 1; i <= 5; i++) {
        fd = dial(&w);
        UNTIL(w.opened == i);
        old = w.id;
        DX_CHECK_EQ(dx_peers_send(&w.s, old, "dropped", 7), 0);
        DX_CHECK_EQ(dx_peers_close(&w.s, old, true), 0);
        for (int k = 0; k < 2; k++) { /* about to be closed, then closed */
            DX_CHECK_EQ(dx_peers_close(&w.s, old, true), DX_PEERS_ENOTFOUND);
            DX_CHECK_EQ(dx_peers_close(&w.s, old, false), DX_PEERS_ENOTFOUND);
            DX_CHECK_EQ(dx_peers_send(&w.s, old, "x", 1), DX_PEERS_ENOTFOUND);
            DX_CHECK_EQ(dx_peers_reserve(&w.s, old, 1, &out), DX_PEERS_ENOTFOUND);
            DX_CHECK_EQ(dx_peers_commit(&w.s, old, 1), DX_PEERS_ENOTFOUND);
            UNTIL(w.closed == i);
        }
        DX_CHECK_EQ(dx_peers_fd(&w.s, old), -1);
        DX_CHECK(dx_peers_data(&w.s, old) == NULL);
        DX_CHECK_EQ(w.reason, 0);
        shut(fd);
        fd = dial(&w); /* takes the same slot, under another id */
        UNTIL(w.opened == i + 1);
        DX_CHECK((uint32_t)w.id == (uint32_t)old && w.id != old);
        DX_CHECK_EQ(dx_peers_send(&w.s, old, "x", 1), DX_PEERS_ENOTFOUND);
        DX_CHECK_EQ(dx_peers_close(&w.s, w.id, true), 0);
        UNTIL(w.closed == i + 1);
        shut(fd);
        w.opened = w.closed = i;
    }
    world_close(&w);
}

/* Any callback may close a connection. */
static int close_in;
static void close_opened(dx_peers *s, dx_peers_id id)
{
    note_opened(s, id);
    if (close_in == 0) DX_CHECK_EQ(dx_peers_close(s, id, true), 0);
}
static size_t close_received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    size_t used = note_received(s, id, bytes, size, last);
    if (close_in == 1 && !last) DX_CHECK_EQ(dx_peers_close(s, id, true), 0);
    if (close_in == 2 && last) DX_CHECK_EQ(dx_peers_close(s, id, true), 0);
    return close_in == 3 ? 1 : used;
}
EVERY(closed_inside_its_own_functions)
{
    for (close_in = 0; close_in < 4; close_in++) {
        world w = {0};
        int fd;
        w.keeps = close_in == 2;
        world_open(&w, backend);
        w.s.desc.opened = close_opened;
        w.s.desc.received = close_received;
        fd = dial(&w);
        DX_CHECK_EQ(send(fd, "three words here", 16, 0), 16);
        DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
        UNTIL(w.closed);
        turn(&w, 2);
        DX_CHECK_EQ(w.closed, 1);
        DX_CHECK_EQ(w.reason, 0);
        world_close(&w);
        clean();
    }
}

EVERY(e_16_no_descriptors_left)
{
    world w = {0};
    struct rlimit old, few;
    struct sockaddr_in a;
    int fds[6], spare;
    uint64_t begin, waits;
    w.l.desc.buffer_count = 16;
    loop_open(&w.l, backend);
    world_set(&w, &w.l.r);
    w.listening = listener(&w.l, &w.at);
    memcpy(&a, w.at.bytes, sizeof a);
    for (int i = 0; i < 6; i++) fds[i] = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    spare = dup(fds[0]);
    close(spare);
    DX_CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = (rlim_t)spare + 2; /* for two of the six */
    DX_CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    int error = dx_peers_listen(&w.s, w.listening);
    for (int i = 0; i < 6; i++) error |= connect(fds[i], (struct sockaddr *)&a, sizeof a);
    begin = now_ns();
    while ((w.opened < 2 || !w.s.accept_error) && now_ns() < begin + LONG)
        error |= dx_reactor_run_once(&w.l.r, 5 * (int64_t)MS) < 0;
    uint32_t opened = w.opened;
    waits = w.l.r.stats_.system_waits;
    begin = now_ns();
    while (now_ns() < begin + 200 * MS) error |= dx_reactor_run_once(&w.l.r, 5 * (int64_t)MS) < 0;
    waits = w.l.r.stats_.system_waits - waits;
    setrlimit(RLIMIT_NOFILE, &old);
    DX_CHECK_EQ(error, 0);
    DX_CHECK_EQ(w.s.accept_error, -EMFILE);
    DX_CHECK_EQ(opened, 2);
    DX_CHECK_EQ(w.opened, opened);
    DX_CHECK(waits < 300); /* it does not spin */
    UNTIL(w.opened == 6);  /* it retries by itself */
    DX_CHECK_EQ(w.s.refused, 0);
    for (int i = 0; i < 6; i++) shut(fds[i]);
    UNTIL(w.closed == 6);
    world_close(&w);
}

EVERY(accepting_pauses_at_connections_max)
{
    world w = {0};
    int fds[4];
    w.d.peers_max = 2;
    world_open(&w, backend);
    fds[0] = dial(&w), fds[1] = dial(&w);
    UNTIL(w.opened == 2);
    turn(&w, 2);
    fds[2] = dial(&w), fds[3] = dial(&w);
    turn(&w, 3);
    DX_CHECK_EQ(w.s.count, 2);
    DX_CHECK_EQ(w.s.refused, 0);
    shut(fds[0]);
    UNTIL(w.opened == 3);
    turn(&w, 2);
    DX_CHECK_EQ(w.s.count, 2);
    for (int i = 1; i < 4; i++) shut(fds[i]);
    UNTIL(w.closed + w.s.refused == 4);
    world_close(&w);
}

/* More than there is room for, all at once: each gets its turn, and none is refused. */
EVERY(a_burst_of_connections_waits_for_its_turn)
{
    enum { BURST = 100 };
    world w = {0};
    int fds[BURST];
    w.d.peers_max = 8;
    world_open(&w, backend);
    for (int i = 0; i < BURST; i++) fds[i] = dial(&w);
    for (int i = 0; i < BURST; i++) {
        UNTIL(w.opened > (unsigned)i);
        DX_CHECK(w.s.count <= 8);
        shut(fds[i]); /* they are accepted in order */
    }
    UNTIL(w.closed == BURST);
    DX_CHECK(w.opened == BURST && w.s.refused == 0);
    world_close(&w);
}

/* Without standard input, the first peer gets descriptor 0. */
EVERY(a_peer_may_have_descriptor_0)
{
    world w = {0};
    struct sockaddr_in a;
    char back[8];
    int saved, fd;
    if (fcntl(0, F_GETFD) < 0) DX_CHECK_EQ(open("/dev/null", O_RDONLY), 0);
    saved = keep(fcntl(0, F_DUPFD_CLOEXEC, 3));
    world_open(&w, backend);
    fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    close(0);
    memcpy(&a, w.at.bytes, sizeof a);
    DX_CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    UNTIL(w.opened == 1);
    DX_CHECK_EQ(dx_peers_fd(&w.s, w.id), 0);
    DX_CHECK_EQ(send(fd, "hello", 5, 0), 5);
    UNTIL(look(fd, back, sizeof back) == 5);
    shut(fd);
    UNTIL(w.closed == 1);
    DX_CHECK_EQ(fcntl(0, F_GETFD), -1);
    DX_CHECK_EQ(dup2(saved, 0), 0);
    shut(saved);
    world_close(&w);
}

/* While accepting pauses and nothing else needs an operation, the program uses up all of them. When the peer has gone,
   the next one is accepted all the same. */
EVERY(accepting_goes_on_when_others_have_all_operations)
{
    enum { ALL = 4 };
    world w = {0};
    dx_op timers[ALL];
    char back[8];
    int fds[2], taken = 0;
    w.l.desc.pending_max = ALL;
    w.d.peers_max = 1;
    world_open(&w, backend);
    for (int round = 0; round < 3; round++) {
        fds[0] = dial(&w);
        UNTIL(w.opened == 2 * (uint32_t)round + 1);
        DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, true), 0);
        turn(&w, 3);
        for (taken = 0; taken < ALL; taken++) {
            dx_reactor_op_init(&timers[taken], NULL, NULL);
            if (dx_reactor_timer(&w.l.r, &timers[taken], 3600 * S) != 0) break;
        }
        DX_CHECK_EQ(taken, ALL - 1); /* one is reserved for accepting */
        DX_CHECK_EQ(dx_peers_close(&w.s, w.id, true), 0);
        UNTIL(w.closed == 2 * (uint32_t)round + 1);
        turn(&w, 3);
        for (int i = 0; i < taken; i++) DX_CHECK_EQ(dx_reactor_cancel(&w.l.r, &timers[i]), 0);
        turn(&w, 3);
        fds[1] = dial(&w);
        DX_CHECK_EQ(send(fds[1], "hello", 5, 0), 5);
        UNTIL(look(fds[1], back, sizeof back) == 5);
        shut(fds[0]);
        shut(fds[1]);
        UNTIL(w.closed == 2 * (uint32_t)round + 2);
    }
    DX_CHECK_EQ(w.s.refused, 0);
    world_close(&w);
}

/* The same with more closes in progress than operations, between the last accept and its end. */
enum { CLOSES = 6 };
static dx_op closes[CLOSES];
static void close_many(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    world *w = (world *)dx_reactor_op_user(op);
    (void)result, (void)flags;
    if (!w->opened) dx_reactor_timer(r, op, 0);
    for (int i = 0; i < CLOSES && w->opened; i++) {
        dx_reactor_op_init(&closes[i], NULL, NULL);
        DX_CHECK_EQ(dx_reactor_close_fd(r, &closes[i], dup(w->listening)), 0);
    }
}
EVERY(accepting_goes_on_behind_closes_of_the_program)
{
    world w = {0};
    dx_op timer;
    char back[8];
    int fds[2];
    w.l.desc.pending_max = 3; /* an accept, a receive, a send or the timer */
    w.d.peers_max = 1;
    world_open(&w, backend);
    turn(&w, 1);
    dx_reactor_op_init(&timer, close_many, &w);
    DX_CHECK_EQ(dx_reactor_timer(&w.l.r, &timer, 0), 0);
    fds[0] = dial(&w);
    UNTIL(w.opened == 1 && !dx_reactor_op_pending(&timer));
    DX_CHECK_EQ(dx_peers_close(&w.s, w.id, true), 0);
    UNTIL(w.closed == 1);
    fds[1] = dial(&w);
    DX_CHECK_EQ(send(fds[1], "hello", 5, 0), 5);
    UNTIL(look(fds[1], back, sizeof back) == 5);
    world_close(&w);
}

/* dx_peers_listen() returns the error that keeps it from accepting, and may be called again. */
EVERY(listening_says_that_there_is_no_operation)
{
    world w = {0};
    dx_op timers[3];
    char back[8];
    int fd;
    w.l.desc.pending_max = 3;
    w.l.desc.buffer_count = 4;
    loop_open(&w.l, backend);
    world_set(&w, &w.l.r);
    w.listening = listener(&w.l, &w.at);
    for (int i = 0; i < 3; i++) {
        dx_reactor_op_init(&timers[i], NULL, NULL);
        DX_CHECK_EQ(dx_reactor_timer(&w.l.r, &timers[i], 3600 * S), 0);
    }
    DX_CHECK_EQ(dx_peers_listen(&w.s, w.listening), DX_PEERS_EAGAIN);
    DX_CHECK_EQ(dx_peers_listen(&w.s, w.listening), DX_PEERS_EAGAIN);
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_reactor_cancel(&w.l.r, &timers[i]), 0);
    turn(&w, 2);
    DX_CHECK_EQ(dx_peers_listen(&w.s, w.listening), 0);
    DX_CHECK_EQ(dx_peers_listen(&w.s, w.listening), DX_PEERS_EINVAL);
    fd = dial(&w);
    DX_CHECK_EQ(send(fd, "hello", 5, 0), 5);
    UNTIL(look(fd, back, sizeof back) == 5);
    world_close(&w);
}

/* A reactor that is closing accepts no more. */
static int listen_error;
static void listen_late(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    world *w = (world *)dx_reactor_op_user(op);
    (void)r, (void)flags;
    DX_CHECK_EQ(result, -ECANCELED);
    listen_error = dx_peers_listen(&w->s, w->listening);
}
EVERY(listening_while_the_reactor_is_closed)
{
    world w = {0};
    dx_op timer;
    w.l.desc.buffer_count = 4;
    loop_open(&w.l, backend);
    world_set(&w, &w.l.r);
    w.listening = listener(&w.l, &w.at);
    dx_reactor_op_init(&timer, listen_late, &w);
    DX_CHECK_EQ(dx_reactor_timer(&w.l.r, &timer, 3600 * S), 0);
    listen_error = 0;
    world_close(&w);
    DX_CHECK_EQ(listen_error, DX_PEERS_ECANCELED);
}

/* >>time --------------------------------------------------------------- */
/* False: the machine stalled so long that the busy connection may have looked idle. */
static bool idle_and_busy(int backend, uint64_t limit)
{
    world w = {0};
    uint64_t begin, end = 0, last, gap = 0;
    int idle, busy;
    char back[64];
    w.d.idle_ns = limit;
    world_open(&w, backend);
    last = now_ns();
    busy = dial(&w);
    UNTIL(w.opened == 1);
    begin = now_ns();
    idle = dial(&w);
    /* Timeouts count ticks, not time: if ticks are late, the idle connection ends late. */
    while (now_ns() < begin + 5 * limit || (!w.closed && now_ns() < begin + LONG)) {
        if (send(busy, "tick", 4, MSG_NOSIGNAL) < 0) break;
        turn(&w, 2);
        while (look(busy, back, sizeof back) > 0) {
            if (now_ns() - last > gap) gap = now_ns() - last;
            last = now_ns();
        }
        if (now_ns() - last > limit / 2) break;
        if (w.closed && !end) end = now_ns();
    }
    if (gap > limit / 2 || now_ns() - last > limit / 2) {
        world_close(&w);
        return false;
    }
    DX_CHECK_EQ(w.opened, 2);
    DX_CHECK_EQ(w.closed, 1);
    DX_CHECK_EQ(w.reason, -ETIMEDOUT);
    DX_CHECK(end >= begin + limit);
    DX_CHECK_EQ(look(idle, back, 1), 0);
    UNTIL(w.closed == 2);
    DX_CHECK_EQ(w.reason, -ETIMEDOUT);
    UNTIL(dx_reactor_pending(&w.l.r) == 1); /* without peers no timer runs, only the accept */
    world_close(&w);
    return true;
}

EVERY(idle_connections_are_closed_and_busy_ones_are_not)
{
    uint64_t limit = 80 * MS;
    while (!idle_and_busy(backend, limit)) {
        limit *= 2;
        DX_CHECK(limit < 20 * S); /* a busy connection that looked idle */
        clean();
    }
}

EVERY(a_peer_that_does_not_end_is_closed_after_a_while)
{
    world w = {0};
    uint64_t begin;
    int fd;
    w.d.linger_ns = 60 * MS;
    w.silent = true;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened);
    begin = now_ns();
    DX_CHECK_EQ(dx_peers_close(&w.s, w.id, false), 0);
    while (!w.closed && now_ns() < begin + LONG) {
        if (send(fd, "still here", 10, MSG_NOSIGNAL) < 0) break;
        turn(&w, 1);
    }
    UNTIL(w.closed);
    DX_CHECK(now_ns() >= begin + 60 * MS);
    DX_CHECK_EQ(w.reason, -ETIMEDOUT);
    world_close(&w);
}

/* False: the machine stalled so long that the output could not be finished. */
static bool drain_and_close(int backend, uint64_t limit)
{
    world w = {0};
    static uint8_t data[300000];
    int reads, stays;
    uint64_t begin;
    w.d.high_water = 1 << 20;
    world_open(&w, backend);
    fill(data, sizeof data, 0);
    stays = dial(&w);
    UNTIL(w.opened == 1);
    reads = dial(&w);
    UNTIL(w.opened == 2);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, data, sizeof data), 0);
    begin = now_ns();
    dx_peers_drain(&w.s, limit);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, data, 1), DX_PEERS_ECANCELED);
    uint64_t got = read_all(&w, reads);
    shut(reads);
    UNTIL(w.closed >= 1);
    if (now_ns() - begin > limit / 2) {
        UNTIL(w.closed == 2);
        world_close(&w);
        return false;
    }
    DX_CHECK_EQ(got, sizeof data);
    DX_CHECK_EQ(w.closed, 1);
    DX_CHECK_EQ(w.reason, 0);
    dial(&w); /* accepted by the system only */
    UNTIL(w.closed == 2);
    DX_CHECK_EQ(w.reason, -ETIMEDOUT);
    DX_CHECK(now_ns() >= begin + limit);
    DX_CHECK_EQ(w.opened, 2);
    DX_CHECK_EQ(dx_reactor_run(&w.l.r), 0); /* nothing is pending */
    shut(stays);
    world_close(&w);
    return true;
}

EVERY(draining_finishes_the_output_then_closes_the_rest)
{
    uint64_t limit = 300 * MS;
    while (!drain_and_close(backend, limit)) {
        limit *= 2;
        DX_CHECK(limit < 40 * S); /* unfinished output */
        clean();
    }
}

/* >>clients ------------------------------------------------------------ */
EVERY(connecting_and_adopting)
{
    world w = {0}, a = {0};
    dx_peers_id id = 0, other = 0;
    dx_reactor_address nowhere;
    int fd = -1, fds[2];
    uint8_t back[16];
    world_open(&w, backend);
    a.silent = true;
    a.d.peers_max = 2;
    world_set(&a, &w.l.r);
    DX_CHECK_EQ(dx_reactor_socket(&w.l.r, &w.at, DX_REACTOR_NODELAY, &fd), 0);
    DX_CHECK_EQ(dx_peers_add(&a.s, fd, &w.at, &id), 0);
    DX_CHECK_EQ(dx_peers_send(&a.s, id, "before it is open", 17), 0);
    UNTIL(a.bytes == 17);
    DX_CHECK_EQ(a.opened, 1);
    DX_CHECK(a.id == id);
    pair(fds);
    DX_CHECK_EQ(dx_peers_add(&a.s, fds[0], NULL, &other), 0);
    forget_fd(fds[0]);
    a.opened++;
    DX_CHECK_EQ(dx_peers_add(&a.s, fds[1], NULL, &other), DX_PEERS_EAGAIN);
    DX_CHECK_EQ(dx_peers_send(&a.s, other, "adopted", 7), 0);
    UNTIL(look(fds[1], back, sizeof back) == 7);
    shut(fds[1]);
    UNTIL(a.closed == 1);
    DX_CHECK_EQ(dx_peers_close(&a.s, id, true), 0);
    UNTIL(a.closed == 2 && w.closed == 1);
    fd = listener(&w.l, &nowhere);
    shut(fd);
    DX_CHECK_EQ(dx_reactor_socket(&w.l.r, &nowhere, 0, &fd), 0);
    DX_CHECK_EQ(dx_peers_add(&a.s, fd, &nowhere, &id), 0);
    UNTIL(a.closed == 3);
    DX_CHECK_EQ(a.reason, -ECONNREFUSED);
    world_close(&w);
    free(a.d.memory);
}

EVERY(a_peer_that_is_held_gets_nothing_until_it_is_let_go)
{
    world w = {0};
    char back[64];
    int fd;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened == 1);
    DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, true), 0);
    DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, true), 0);
    DX_CHECK_EQ(send(fd, "hello", 5, 0), 5);
    DX_CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    turn(&w, 10);
    DX_CHECK(w.bytes == 0 && w.ends == 0); /* and it is not told of the end */
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, "out", 3), 0); /* while its output continues */
    UNTIL(look(fd, back, sizeof back) == 3);
    DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, false), 0);
    UNTIL(w.closed == 1);
    DX_CHECK(w.bytes == 5 && w.ends == 1 && w.reason == 0);
    DX_CHECK_EQ(look(fd, back, sizeof back), 5);
    DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, false), DX_PEERS_ENOTFOUND);
    DX_CHECK_EQ(dx_peers_hold(NULL, w.id, false), DX_PEERS_EINVAL);
    world_close(&w);
}

EVERY(listening_ends_and_those_that_are_open_go_on)
{
    world w = {0};
    char back[64];
    int fd;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened == 1);
    dx_peers_listen_end(&w.s);
    turn(&w, 5);
    dial(&w); /* it waits in the system's queue */
    turn(&w, 10);
    DX_CHECK_EQ(w.opened, 1);
    DX_CHECK_EQ(send(fd, "hello", 5, 0), 5);
    UNTIL(look(fd, back, sizeof back) == 5);
    world_close(&w);
}

/* Those that the system has accepted are opened, however many wait when listening ends; a drain after it
   refuses none. */
EVERY(the_end_of_listening_loses_nobody)
{
    enum { DIALS = 40 };
    for (int turns = 0; turns < 4; turns++) {
        world w = {0};
        world_open(&w, backend);
        DX_CHECK(dx_peers_is_listening(&w.s));
        for (int i = 0; i < DIALS; i++) dial(&w);
        turn(&w, turns);
        dx_peers_listen_end(&w.s);
        UNTIL(!dx_peers_is_listening(&w.s));
        dx_peers_drain(&w.s, 1000000000);
        turn(&w, 10);
        DX_CHECK_EQ(w.s.refused, 0);
        DX_CHECK(turns == 0 || w.opened > 0);
        world_close(&w);
    }
}

/* Also while all slots are taken and it waits for one; not where nobody has begun to listen. */
EVERY(it_is_known_whether_connections_may_follow)
{
    world w = {0}, silent = {0};
    int fd;
    w.d.peers_max = 1;
    world_open(&w, backend);
    world_set(&silent, &w.l.r);
    DX_CHECK(!dx_peers_is_listening(&silent.s));
    fd = dial(&w);
    dial(&w);
    UNTIL(w.opened == 1);
    turn(&w, 5);
    DX_CHECK(w.opened == 1 && dx_peers_is_listening(&w.s));
    dx_peers_listen_end(&w.s);
    UNTIL(!dx_peers_is_listening(&w.s));
    shut(fd);
    UNTIL(w.closed == 1);
    turn(&w, 5);
    DX_CHECK(w.opened == 1 && !dx_peers_is_listening(&w.s));
    DX_CHECK_EQ(dx_peers_listen(&w.s, w.listening), 0);
    DX_CHECK(dx_peers_is_listening(&w.s));
    UNTIL(w.opened == 2); /* the second one, which has waited */
    dx_peers_drain(&w.s, 1000000000);
    UNTIL(!dx_peers_is_listening(&w.s));
    world_close(&w);
    free(silent.d.memory);
}

/* dx_reactor_close() with everything in progress: each program callback runs, each descriptor is closed. */
EVERY(the_reactor_is_closed_with_connections_open)
{
    world w = {0};
    static uint8_t data[400000];
    int fds[5];
    char end[8];
    w.d.high_water = 1 << 20;
    world_open(&w, backend);
    for (int i = 0; i < 5; i++) fds[i] = dial(&w);
    UNTIL(w.opened == 5);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, data, sizeof data), 0);
    turn(&w, 1);
    DX_CHECK_EQ(dx_peers_send(&w.s, w.id, data, sizeof data), 0);
    world_close(&w);
    DX_CHECK_EQ(w.closed, 5);
    for (int i = 0; i < 5; i++) {
        ssize_t n;
        while ((n = recv(fds[i], data, sizeof data, 0)) > 0) {}
        DX_CHECK(n == 0 || errno == ECONNRESET);
    }
    (void)end;
}

/* The same while peers wait only for the program: those on hold, and those that have ended and are kept. */
EVERY(the_reactor_is_closed_while_peers_wait_for_the_program)
{
    world w = {0};
    char end[8];
    int fds[3];
    w.keeps = true;
    world_open(&w, backend);
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(&w);
        UNTIL(w.opened == (uint32_t)i + 1);
        if (i == 0) DX_CHECK_EQ(dx_peers_hold(&w.s, w.id, true), 0);
        if (i == 0) DX_CHECK_EQ(send(fds[i], "hello", 5, 0), 5);
        if (i < 2) DX_CHECK_EQ(shutdown(fds[i], SHUT_WR), 0);
    }
    UNTIL(w.ends == 1);
    turn(&w, 10);
    world_close(&w);
    DX_CHECK(w.closed == 3 && w.reason == -ECANCELED);
    for (int i = 0; i < 3; i++) {
        const ssize_t n = recv(fds[i], end, sizeof end, 0);
        DX_CHECK(n == 0 || (n < 0 && errno == ECONNRESET));
    }
}

/* More peers than operations: those without one are closed, although a close needs one, too. */
EVERY(e_05_no_operation_for_a_peer_closes_it_and_the_others_go_on)
{
    enum { FIT = 5, CAME = 9 };
    world w = {0};
    char back[8];
    int fds[CAME];
    w.l.desc.pending_max = 1 + FIT; /* an accept, and one receive each */
    w.d.peers_max = CAME;
    w.d.block_count = 16;
    world_open(&w, backend);
    for (int i = 0; i < CAME; i++) fds[i] = dial(&w);
    UNTIL(w.closed == CAME - FIT);
    DX_CHECK(w.opened == CAME && w.reason == -ENOBUFS && w.s.count == FIT);
    for (int i = FIT; i < CAME; i++) DX_CHECK_EQ(recv(fds[i], back, sizeof back, 0), 0);
    for (int i = 0; i < FIT; i++) shut(fds[i]);
    UNTIL(w.s.count == 0);
    fds[0] = dial(&w);
    DX_CHECK_EQ(send(fds[0], "hello", 5, 0), 5);
    UNTIL(look(fds[0], back, sizeof back) == 5);
    world_close(&w);
}

/* >>cost --------------------------------------------------------------- */
EVERY(re_6_nothing_is_allocated_and_an_idle_connection_is_small)
{
    world w = {0};
    int fds[32];
    char back[64];
    struct mallinfo2 before, after;
    DX_CHECK(sizeof(dx_peers_p_peer) <= 80 && sizeof(dx_reactor_p_fd) <= 40);
    DX_CHECK(sizeof(dx_peers_p_peer) + sizeof(dx_reactor_p_fd) + 8 <= 128); /* 4 to 8 for looking it up */
    world_open(&w, backend);
    dx_reactor_run_once(&w.l.r, 0);
    before = mallinfo2();
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 32; i++) {
            struct sockaddr_in a;
            memcpy(&a, w.at.bytes, sizeof a);
            fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(fds[i], (struct sockaddr *)&a, sizeof a) != 0) break;
            if (send(fds[i], "hello", 5, 0) != 5) break;
        }
        for (int i = 0; i < 32; i++)
            while (look(fds[i], back, sizeof back) < 5) dx_reactor_run_once(&w.l.r, (int64_t)MS);
        for (int i = 0; i < 32; i++) close(fds[i]);
        while (w.s.count) dx_reactor_run_once(&w.l.r, (int64_t)MS);
    }
    after = mallinfo2();
    DX_CHECK_EQ(after.uordblks, before.uordblks);
    DX_CHECK_EQ(after.hblkhd, before.hblkhd);
    DX_CHECK_EQ(w.opened, 640);
    DX_CHECK_EQ(w.s.peers_used_ <= 32, true); /* slots are reused, the memory stays untouched */
    DX_CHECK(w.s.blocks_used_ <= 33);
    world_close(&w);
}

/* Of 200 that ask again as soon as they are answered, none gets much more than another. */
EVERY(e_07_many_at_once_are_served_alike)
{
    enum { MANY = 200 };
    world w = {0};
    static int fds[MANY];
    static uint32_t served[MANY];
    uint32_t least = UINT32_MAX, most = 0;
    char back[8];
    w.l.desc.buffer_count = 256;
    w.l.desc.buffer_size = 512;
    world_open(&w, backend);
    memset(served, 0, sizeof served);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(&w);
        UNTIL(w.opened == (uint32_t)i + 1);
        DX_CHECK_EQ(send(fds[i], "1", 1, 0), 1);
    }
    for (int turns = 0; turns < 600; turns++) {
        DX_CHECK(dx_reactor_run_once(&w.l.r, 0) >= 0);
        for (int i = 0; i < MANY; i++)
            if (look(fds[i], back, sizeof back) == 1) {
                served[i]++;
                DX_CHECK_EQ(send(fds[i], "1", 1, 0), 1);
            }
    }
    for (int i = 0; i < MANY; i++) {
        if (served[i] < least) least = served[i];
        if (served[i] > most) most = served[i];
    }
    DX_CHECK(most > 10 && least >= most / 2);
    world_close(&w);
}

/* >>held ---------------------------------------------------------------

   Two sets share a reactor and its pool: one of TCP, one of socket pairs. All ends send as fast as they can, and the consumer
   consumes in pieces, holds and resumes at random. */
enum { HELD_EACH = 40, HELD_MANY = 2 * HELD_EACH, HELD_BYTES = 60000, HELD_BUFFERS = 16, HELD_BUFFER = 1024 };
static struct held {
    dx_reactor  r;
    dx_peers    sets[2];
    int         fds[HELD_MANY];   /* the sending ends */
    uint32_t    sent[HELD_MANY], got[HELD_MANY], answered[HELD_MANY], back[HELD_MANY];
    dx_peers_id ids[HELD_MANY];
    bool        holds[HELD_MANY], ended[HELD_MANY];
    uint32_t    closed, most, holds_now;
    uint64_t    random;
    uint32_t    resumes;          /* one in that many is resumed at a time */
    bool        answers;
} h;

/* Blocks of input that a set has, counted one by one. */
static uint32_t held_input(const dx_peers *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->peers_used_; i++) {
        const dx_peers_p_peer *peer = dx_peers_p_peer_at(s, i);
        uint32_t at = peer->u.in;
        if (!(peer->flags & DX_PEERS_P_IS_OPEN) || (peer->flags & DX_PEERS_P_IS_CLOSING) || !at) continue;
        do {
            count++;
            at = dx_peers_p_block_at(s, at)->next;
        } while (at != peer->u.in);
    }
    return count;
}

/* The bound of MEMORY, in dx_peers.h. */
static void held_check(const dx_peers *s)
{
    const uint32_t count = held_input(s);
    if (count > h.most) h.most = count;
    DX_CHECK(count <= (s->desc.block_count + 1) / 2);
    DX_CHECK(s->blocks_left_ + count <= s->desc.block_count);
}

/* The first byte of a stream is its number. */
static uint8_t held_byte(uint32_t i, uint32_t at)
{
    return at ? pattern(at + 977 * i) : (uint8_t)i;
}

static size_t held_received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    uint64_t *word = dx_peers_data(s, id);
    if (!*word && !size) return 0;
    if (!*word) {
        DX_CHECK(bytes[0] < HELD_MANY);
        h.ids[bytes[0]] = id;
        *word = 1u + bytes[0];
    }
    const uint32_t i = (uint32_t)*word - 1;
    const bool hold = !last && dx_test_below(&h.random, 4) == 0;
    size_t used = size;
    DX_CHECK(!h.holds[i] && !h.ended[i]);
    if (!last && size && dx_test_below(&h.random, 2)) /* little remains, or it is on hold */
        used = size - dx_test_below(&h.random, hold ? (uint32_t)size + 1 : (uint32_t)(size < 200 ? size : 200));
    for (size_t k = 0; k < used; k++) DX_CHECK_EQ(bytes[k], held_byte(i, h.got[i] + (uint32_t)k));
    h.got[i] += (uint32_t)used;
    held_check(s);
    if (h.answers && used && dx_peers_room(s) >= 4 * HELD_BUFFER && dx_peers_send(s, id, bytes, (uint32_t)(used < 50 ? used : 50)) == 0)
        h.answered[i] += (uint32_t)(used < 50 ? used : 50);
    if (last) {
        h.ended[i] = true;
        DX_CHECK_EQ(h.got[i], HELD_BYTES);
        DX_CHECK_EQ(dx_peers_close(s, id, false), 0);
    }
    if (hold) {
        h.holds[i] = true;
        DX_CHECK_EQ(dx_peers_hold(s, id, true), 0);
    }
    return used;
}

static void held_closed(dx_peers *s, dx_peers_id id, int32_t reason)
{
    (void)s;
    (void)id;
    DX_CHECK_EQ(reason, 0);
    h.closed++;
}

static void held_set(dx_peers *s)
{
    dx_peers_desc d = {0};
    d.peers_max = HELD_EACH;
    d.block_size = HELD_BUFFER;
    d.block_count = 2 * (2 * HELD_EACH + HELD_BUFFERS);
    d.reserve_input = true;
    d.received = held_received;
    d.closed = held_closed;
    d.memory_size = dx_peers_memory_size(&d) + HELD_BUFFER + 256;
    d.memory = malloc(d.memory_size);
    DX_CHECK_EQ(dx_peers_open(s, &h.r, &d), DX_PEERS_EINVAL); /* one block more is needed */
    d.block_count += 24;
    free(d.memory);
    d.memory_size = dx_peers_memory_size(&d);
    d.memory = malloc(d.memory_size);
    DX_CHECK_EQ(dx_peers_open(s, &h.r, &d), 0);
}

/* What the other ends do between rounds: send, take answers, resume. */
static void held_act(void)
{
    static uint8_t out[HELD_BYTES];
    for (uint32_t i = 0; i < HELD_MANY; i++) {
        const uint32_t most = HELD_BYTES - h.sent[i];
        const uint32_t size = most < 30000 ? most : 1 + dx_test_below(&h.random, 30000);
        for (uint32_t k = 0; k < size; k++) out[k] = held_byte(i, h.sent[i] + k);
        const ssize_t n = size ? send(h.fds[i], out, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (n > 0) h.sent[i] += (uint32_t)n;
        if (n > 0 && h.sent[i] == HELD_BYTES) DX_CHECK_EQ(shutdown(h.fds[i], SHUT_WR), 0);
        const ssize_t back = look(h.fds[i], out, sizeof out);
        if (back > 0) h.back[i] += (uint32_t)back;
        if (!h.holds[i] || dx_test_below(&h.random, h.resumes)) continue;
        h.holds[i] = false;
        DX_CHECK_EQ(dx_peers_hold(&h.sets[i / HELD_EACH], h.ids[i], false), 0);
    }
}

static void held_run(int backend, uint64_t seed)
{
    static uint64_t memory[1 << 17];
    dx_reactor_desc desc = {0};
    dx_reactor_address any, at;
    int listening = -1;
    memset(&h, 0, sizeof h);
    h.random = seed;
    h.resumes = 1 + dx_test_below(&h.random, 60);
    h.answers = dx_test_below(&h.random, 2) != 0;
    desc.backend = backend;
    desc.memory = memory;
    desc.pending_max = 1000;
    desc.descriptors_max = 256;
    desc.queue_entries = 16 << dx_test_below(&h.random, 4);
    desc.buffer_count = HELD_BUFFERS;
    desc.buffer_size = HELD_BUFFER;
    desc.memory_size = dx_reactor_memory_size(&desc);
    DX_CHECK(desc.memory_size && desc.memory_size <= sizeof memory);
    if (dx_reactor_open(&h.r, &desc) != 0) skip_refused(&h.r, &desc);
    held_set(&h.sets[0]);
    held_set(&h.sets[1]);
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&h.r, &any, 0, 0, &listening, &at), 0);
    DX_CHECK_EQ(dx_peers_listen(&h.sets[0], listening), 0);
    for (int i = 0; i < HELD_MANY; i++) {
        dx_peers_id id;
        int pair[2];
        if (i < HELD_EACH) {
            h.fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            DX_CHECK_EQ(connect(h.fds[i], (struct sockaddr *)at.bytes, sizeof(struct sockaddr_in)), 0);
        } else {
            DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
            DX_CHECK_EQ(dx_peers_add(&h.sets[1], pair[0], NULL, &id), 0);
            h.fds[i] = pair[1];
        }
    }
    for (const uint64_t end = now_ns() + 6 * LONG; h.closed < HELD_MANY;) {
        DX_CHECK(now_ns() < end);
        held_act();
        DX_CHECK(dx_reactor_run_once(&h.r, 0) >= 0);
    }
    for (int i = 0; i < HELD_MANY; i++) {
        uint8_t rest[4096];
        for (ssize_t n; (n = look(h.fds[i], rest, sizeof rest)) > 0;) h.back[i] += (uint32_t)n;
        DX_CHECK_EQ(h.back[i], h.answered[i]);
        close(h.fds[i]);
    }
    DX_CHECK_EQ(h.r.pool_holds_, 0);
    DX_CHECK_EQ(h.r.returned_, 0);
    DX_CHECK_EQ(dx_reactor_close(&h.r), 0);
    for (int i = 0; i < 2; i++) {
        DX_CHECK_EQ(h.sets[i].blocks_left_, h.sets[i].desc.block_count);
        DX_CHECK_EQ(h.sets[i].shots_, 0);
        free(h.sets[i].desc.memory);
    }
    close(listening);
}

static uint32_t held_most;
EVERY(e_08_input_of_held_peers_is_bounded_and_none_is_closed_for_it)
{
    held_most = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        held_run(backend, seed);
        if (h.most > held_most) held_most = h.most;
    }
    DX_CHECK(held_most > 30); /* many had some at once */
}

/* A peer that consumes nothing while output is under way has a block of input and one buffer, not all that is sent.
   When the output is gone, the rest comes. */
EVERY(e_10_input_that_is_not_consumed_stops_with_a_whole_block)
{
    world w = {0};
    static uint8_t piece[60000];
    uint64_t sent = 0;
    const int small = 16384;
    int fd;
    w.d.block_count = 1024;
    w.d.high_water = 1 << 24;
    w.d.receive_when_full = true;
    w.silent = true;
    w.whole = 1u << 30;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened == 1);
    DX_CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    DX_CHECK_EQ(setsockopt(dx_peers_fd(&w.s, w.id), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int i = 0; i < 80; i++) DX_CHECK_EQ(dx_peers_send(&w.s, w.id, piece, sizeof piece), 0);
    for (int i = 0; i < 60; i++) {
        const ssize_t n = send(fd, piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += (uint64_t)n;
        turn(&w, 1);
    }
    DX_CHECK(dx_peers_queued(&w.s, w.id) > 0 && w.closed == 0 && sent > 10 * sizeof piece);
    DX_CHECK(held_input(&w.s) > 0 && held_input(&w.s) <= 2 + w.l.desc.buffer_count * 4096 / 16384);
    w.whole = 0;
    for (uint64_t end = now_ns() + LONG; w.bytes < sent || dx_peers_queued(&w.s, w.id);) {
        DX_CHECK(now_ns() < end);
        (void)look(fd, piece, sizeof piece);
        DX_CHECK(dx_reactor_run_once(&w.l.r, 0) >= 0);
    }
    DX_CHECK(w.bytes == sent && w.closed == 0);
    world_close(&w);
}

/* >>single ------------------------------------------------------------- */
static struct single {
    uint32_t flags, pieces, ends;
    int32_t  result;
    bool     cancels;
} one;

static void single_done(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    if (flags & DX_REACTOR_F_BUFFER) {
        one.pieces++;
        one.flags = flags;
        if (one.cancels) DX_CHECK_EQ(dx_reactor_cancel(r, op), 0);
    } else {
        one.ends++;
        one.result = result;
    }
}

/* A single receive fills the next buffer after the last one was returned; a hold of the pool delays that. */
EVERY(e_09_a_single_receive_has_one_buffer_at_a_time)
{
    world w = {0};
    dx_op op;
    int pair[2];
    char data[4000] = {0};
    memset(&one, 0, sizeof one);
    w.l.desc.buffer_count = 8;
    w.l.desc.buffer_size = 512;
    world_open(&w, backend);
    DX_CHECK_EQ(dx_reactor_ext_pool_size(&w.l.r), 512);
    DX_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    dx_reactor_op_init(&op, single_done, NULL);
    DX_CHECK_EQ(dx_reactor_ext_recv_single(&w.l.r, &op, pair[0]), 0);
    DX_CHECK_EQ(send(pair[1], data, sizeof data, 0), (ssize_t)sizeof data);
    for (uint32_t i = 1; i < 6; i++) {
        const bool hold = i == 3;
        UNTIL(one.pieces == i);
        turn(&w, 4);
        DX_CHECK_EQ(one.pieces, i);
        if (hold) dx_reactor_ext_pool_hold(&w.l.r, true);
        one.cancels = i == 5;
        DX_CHECK_EQ(dx_reactor_return_buffer(&w.l.r, one.flags), 0);
        DX_CHECK_EQ(dx_reactor_return_buffer(&w.l.r, one.flags), DX_REACTOR_EINVAL);
        if (!hold) continue;
        turn(&w, 4);
        DX_CHECK_EQ(one.pieces <= i + 1, true); /* of the others; nothing comes twice */
        dx_reactor_ext_pool_hold(&w.l.r, false);
    }
    UNTIL(one.ends == 1);
    DX_CHECK(one.pieces == 6 && one.result == -ECANCELED);
    DX_CHECK_EQ(dx_reactor_return_buffer(&w.l.r, one.flags), 0);
    turn(&w, 2);
    close(pair[0]);
    close(pair[1]);
    world_close(&w);
}

/* Returned buffers are not filled until the hold of the pool ends. */
EVERY(e_09_a_hold_of_the_pool_keeps_returned_buffers)
{
    world w = {0};
    int fd;
    char data[4000] = {0};
    w.l.desc.buffer_count = 2;
    w.l.desc.buffer_size = 512;
    w.silent = true;
    world_open(&w, backend);
    fd = dial(&w);
    UNTIL(w.opened == 1);
    turn(&w, 2);
    dx_reactor_ext_pool_hold(&w.l.r, true);
    dx_reactor_ext_pool_hold(&w.l.r, true);
    DX_CHECK_EQ(send(fd, data, sizeof data, 0), (ssize_t)sizeof data);
    turn(&w, 6);
    if (w.l.r.ring_.pooled) DX_CHECK_EQ(w.bytes, 2 * 512);
    dx_reactor_ext_pool_hold(&w.l.r, false);
    turn(&w, 4);
    if (w.l.r.ring_.pooled) DX_CHECK_EQ(w.bytes, 2 * 512);
    dx_reactor_ext_pool_hold(&w.l.r, false);
    UNTIL(w.bytes == sizeof data);
    DX_CHECK_EQ(w.l.r.held_, 0);
    world_close(&w);
}

/* >>model --------------------------------------------------------------

   Two sets on one reactor: one connects to the other, which echoes everything and consumes in odd pieces. Random sends,
   ends and closes, and faults on the simulated system. Both keep a ledger. */
enum { MOST = 12 };
typedef struct talk { /* the connecting end */
    dx_peers_id id;
    uint64_t sent, back;
    bool     live, finished, ended;
    bool     held;
} talk;

static struct model {
    dx_reactor r;
    dx_peers server, client;
    talk     talks[MOST];
    uint32_t opened, closed, dialled, hung;
    uint32_t lacking; /* conversations that ended well, but with bytes missing */
    uint32_t cut; /* closed by the server before all was answered: then an end proves nothing */
    uint64_t random, moved, whole;
    bool     faults;
    bool     keeps; /* the connecting end stays open when the other has ended */
    bool     calm;  /* everything finishes */
    bool     cut_short; /* the reactor is closed midway, and may have too few operations */
    bool     scarce; /* few operations, and few peers at the server: all get their turn in the end */
    bool     evicts; /* the server's callbacks close other connections */
    bool     reserves; /* blocks for input are set aside */
    uint32_t server_max;
} m;

static uint32_t some_number(uint32_t below)
{
    return dx_test_below(&m.random, below);
}

/* Memory without a peer may be overwritten at any time. */
static void model_overwrite(dx_peers *s)
{
    void *memory;
    size_t size;
    if (dx_peers_unused(s, &memory, &size)) memset(memory, 0xa5, size);
}

/* Reserve and commit nothing, which changes nothing. Another peer may have to close meanwhile. */
static void model_disturb(dx_peers *s, dx_peers_id id)
{
    if (m.reserves) DX_CHECK(held_input(s) <= (s->desc.block_count + 1) / 2);
    uint8_t *out;
    uint32_t size = 1 + some_number(some_number(2) ? 100 : s->desc.block_size);
    uint32_t queued = dx_peers_queued(s, id);
    if (some_number(2) && !dx_peers_reserve(s, id, size, &out)) {
        memset(out, 0xa5, size);
        DX_CHECK_EQ(dx_peers_commit(s, id, 0), 0);
        DX_CHECK_EQ(dx_peers_queued(s, id), queued);
    }
    if (m.evicts && s == &m.server && some_number(40) == 0) {
        dx_peers_p_peer *p = dx_peers_p_peer_at(s, some_number(s->peers_used_));
        m.cut++;
        if (p->flags & DX_PEERS_P_IS_OPEN) (void)dx_peers_close(s, dx_peers_p_id(s, p), true);
    }
    model_overwrite(s);
}

static void model_opened(dx_peers *s, dx_peers_id id)
{
    m.opened++;
    model_disturb(s, id);
}

/* Send through a reserved block if the bytes fit into one, or as a copy. */
static int model_send(dx_peers *s, dx_peers_id id, const uint8_t *bytes, uint32_t size)
{
    uint8_t *out;
    int error;
    if (size > s->desc.block_size || some_number(2)) return dx_peers_send(s, id, bytes, size);
    error = dx_peers_reserve(s, id, s->desc.block_size, &out);
    if (error) return error;
    memcpy(out, bytes, size);
    return dx_peers_commit(s, id, size);
}

static size_t model_echo(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    size_t used = last || !some_number(3) ? size : some_number((uint32_t)size + 1);
    model_disturb(s, id);
    if (last) {
        bool refused = size && model_send(s, id, bytes, (uint32_t)size) != 0;
        m.cut += refused;
        dx_peers_close(s, id, refused);
        return size;
    }
    if (used && model_send(s, id, bytes, (uint32_t)used) != 0) return 0;
    model_disturb(s, id);
    return used;
}

static void model_closed(dx_peers *s, dx_peers_id id, int32_t reason)
{
    (void)id;
    DX_CHECK(reason <= 0);
    m.cut += reason != 0;
    model_overwrite(s);
    m.closed++;
}

static size_t model_received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    talk *t = (talk *)(uintptr_t)*dx_peers_data(s, id);
    size_t used = last || some_number(2) ? size : some_number((uint32_t)size + 1);
    DX_CHECK(t->live && t->id == id && !t->ended);
    for (size_t i = 0; i < used; i++) DX_CHECK_EQ(bytes[i], pattern(t->back + i));
    t->back += used;
    DX_CHECK(t->back <= t->sent);
    m.moved += used;
    if (last) {
        t->ended = true;
        if (!m.keeps || m.calm) dx_peers_close(s, id, false);
    }
    return used;
}

static void model_hung_up(dx_peers *s, dx_peers_id id, int32_t reason)
{
    talk *t = (talk *)(uintptr_t)*dx_peers_data(s, id);
    DX_CHECK(t->live && t->id == id);
    if (reason == 0 && t->ended && t->finished) { /* a complete conversation */
        m.lacking += t->back != t->sent;
        m.whole += t->back == t->sent;
    }
    if (reason && !m.faults && !m.cut_short) DX_CHECK(reason == -ECONNRESET || reason == -EPIPE || reason == -ENOBUFS || reason == -EMSGSIZE);
    t->live = false;
    m.hung++;
}

static void model_act(const dx_reactor_address *at)
{
    talk *t = &m.talks[some_number(MOST)];
    static uint8_t data[3000];
    uint32_t size = 1 + some_number(some_number(4) ? 100 : sizeof data);
    int fd = -1;
    if (!t->live) {
        if (dx_reactor_socket(&m.r, at, 0, &fd) != 0) return;
        memset(t, 0, sizeof *t);
        if (dx_peers_add(&m.client, fd, at, &t->id) != 0) {
            dx_reactor_ext_close_now(&m.r, fd);
            return;
        }
        *dx_peers_data(&m.client, t->id) = (uint64_t)(uintptr_t)t;
        t->live = true;
        m.dialled++;
    } else if (some_number(12) == 0) {
        int error = dx_peers_close(&m.client, t->id, false);
        DX_CHECK(error == 0 || error == DX_REACTOR_ENOTFOUND);
        if (!error) t->finished = true;
    } else if (some_number(20) == 0) {
        t->held = !t->held;
        DX_CHECK(dx_peers_hold(&m.client, t->id, t->held) != DX_PEERS_EINVAL);
    } else if (some_number(40) == 0) {
        int error = dx_peers_close(&m.client, t->id, true);
        DX_CHECK(error == 0 || error == DX_REACTOR_ENOTFOUND);
        t->finished = false;
    } else {
        fill(data, size, t->sent);
        int error = dx_peers_send(&m.client, t->id, data, size);
        if (!error) t->sent += size;
        else DX_CHECK(error == DX_REACTOR_EAGAIN || error == DX_REACTOR_ENOSPACE || error == DX_REACTOR_ECANCELED || error == DX_REACTOR_ENOTFOUND);
    }
}

static void model_set(dx_peers *s, bool server, uint64_t idle_ns)
{
    dx_peers_desc d = {0};
    static uint64_t memory[2][1 << 16];
    d.peers_max = server ? m.server_max : MOST;
    d.block_count = m.reserves ? 120 : 48;
    d.reserve_input = m.reserves;
    d.block_size = 700;
    d.high_water = 4000;
    d.receive_when_full = !server;
    d.idle_ns = idle_ns;
    d.opened = server ? model_opened : NULL;
    d.drained = model_disturb;
    d.received = server ? model_echo : model_received;
    d.closed = server ? model_closed : model_hung_up;
    d.memory = memory[server];
    d.memory_size = dx_peers_memory_size(&d);
    DX_CHECK(d.memory_size && d.memory_size <= sizeof memory[0]);
    DX_CHECK_EQ(dx_peers_open(s, &m.r, &d), 0);
}

/* Release all holds, and let all ends finish. */
static void model_settle(void)
{
    m.calm = true;
    for (int i = 0; i < MOST; i++) {
        talk *t = &m.talks[i];
        if (t->live && dx_peers_close(&m.client, t->id, false) == 0) t->finished = true;
        if (t->live && t->held) (void)dx_peers_hold(&m.client, t->id, false);
    }
}

/* `acts` random acts, then an end. */
static void model_run(int backend, dx_reactor_sim *sim, uint32_t acts, uint64_t seed)
{
    static uint64_t memory[1 << 16];
    dx_reactor_desc desc = {0};
    dx_reactor_address any, at;
    int listening = -1;
    uint32_t open_before;
    memset(&m, 0, sizeof m);
    m.random = seed;
    m.faults = sim != NULL;
    m.keeps = some_number(2) != 0;
    m.cut_short = some_number(4) == 0;
    m.scarce = some_number(3) == 0;
    m.evicts = some_number(4) == 0;
    m.reserves = some_number(2) != 0;
    m.server_max = m.scarce ? 1 + some_number(3) : MOST + 4; /* accepting pauses */
    desc.backend = backend;
    desc.simulator = sim ? &sim->base : NULL;
    desc.memory = memory;
    desc.pending_max = m.cut_short || m.scarce ? 10 + some_number(40) : 200;
    desc.descriptors_max = 64;
    desc.queue_entries = 16;
    desc.completion_entries = 32;
    desc.buffer_count = 8;
    desc.buffer_size = 512;
    desc.memory_size = dx_reactor_memory_size(&desc);
    DX_CHECK(desc.memory_size && desc.memory_size <= sizeof memory);
    if (dx_reactor_open(&m.r, &desc) != 0) skip_refused(&m.r, &desc);
    open_before = sim ? sim->open : 0;
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(&m.r, &any, 0, 0, &listening, &at), 0);
    model_set(&m.server, true, sim && some_number(2) ? 10 * S : 0);
    model_set(&m.client, false, 0);
    DX_CHECK_EQ(dx_peers_listen(&m.server, listening), 0);
    while (acts--) {
        model_act(&at);
        model_overwrite(&m.server);
        model_overwrite(&m.client);
        if (some_number(3) == 0) DX_CHECK(dx_reactor_run_once(&m.r, 0) >= 0);
    }
    if (!m.cut_short) {
        model_settle();
        for (int i = 0; i < 20000 && m.client.count; i++) dx_reactor_run_once(&m.r, sim ? (int64_t)S : (int64_t)MS);
        DX_CHECK_EQ(m.client.count, 0); /* each conversation has ended */
    }
    DX_CHECK_EQ(dx_reactor_close(&m.r), 0);
    DX_CHECK_EQ(m.client.count, 0);
    DX_CHECK_EQ(m.hung, m.dialled);
    DX_CHECK_EQ(m.server.count, 0);
    DX_CHECK_EQ(m.closed, m.opened);
    if (!m.cut && !m.server.refused) DX_CHECK_EQ(m.lacking, 0);
    DX_CHECK_EQ(m.server.blocks_left_, m.server.desc.block_count);
    DX_CHECK_EQ(m.client.blocks_left_, m.client.desc.block_count);
    DX_CHECK_EQ(m.server.shots_ + m.client.shots_ + m.r.pool_holds_ + m.r.returned_, 0);
    if (sim) DX_CHECK_EQ(sim->open, open_before + 1);
    else close(listening);
}

static uint64_t model_moved, model_whole;
DX_PROPERTY(p4_random_sequences_and_a_ledger_simulated, 10000)
{
    static uint64_t memory[1 << 15];
    dx_reactor_sim sim;
    dx_reactor_sim_desc d = {0};
    bool faults = dx_choose(c, 2) != 0;
    uint64_t seed = dx_choose(c, UINT32_MAX);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.seed = seed;
    d.sockets = 64;
    d.buffer = 300 + (uint32_t)dx_choose(c, 900);
    d.open_max = faults && dx_choose(c, 1) ? 20 : 64;
    if (faults) {
        d.short_transfers = (uint16_t)dx_choose(c, 20000);
        d.interrupts = (uint16_t)dx_choose(c, 3000);
        d.delays = (uint16_t)dx_choose(c, 10000);
        d.resets = (uint16_t)dx_choose(c, 200);
        d.full_queues = (uint16_t)dx_choose(c, 3000);
    }
    DX_CHECK(dx_reactor_sim_memory_size(&d) <= sizeof memory);
    DX_CHECK_EQ(dx_reactor_sim_init(&sim, &d), 0);
    model_run(DX_REACTOR_BACKEND_SIMULATED, &sim, 20 + (uint32_t)dx_choose(c, 200), seed);
    model_moved += m.moved;
    model_whole += m.whole;
}
DX_TEST(p4_the_simulated_runs_moved_something)
{
    if (model_moved) DX_CHECK(model_moved > 1000000 && model_whole > 1000);
}

EVERY(p4_random_sequences_and_a_ledger)
{
    for (uint64_t i = 0; i < 60; i++) model_run(backend, NULL, 400, i + 1);
}
