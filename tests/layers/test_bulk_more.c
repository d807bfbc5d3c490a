/* Tests of the bulk transfer (layers/dx_bulk.h) that mutants called for: one side alone, driven frame by frame, at each limit of
   its times, numbers and sizes. Memory is exactly of size dx_bulk_memory_size(), so that ASan detects its end. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_bulk.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define MS   UINT64_C(1000000)
#define S    UINT64_C(1000000000)
#define TICK UINT64_C(16384) /* ns: the unit in which a chunk's time is measured */
#define T0   (TICK * 1000000)

enum { TRANSFER = 7, SOURCE = 1 << 17 };

static uint8_t source[SOURCE], target[SOURCE];

/* >>one side alone ------------------------------------------------------ */
typedef struct side {
    dx_bulk        b;
    dx_bulk_desc   desc;
    dx_bulk_object object;
    dx_bulk_object asked; /* passed to accept() */
    dx_bulk_piece  piece; /* the last one from next() */
    int                 answer, written;
} side;

static const void *fetch(void *user, uint64_t offset, uint32_t size)
{
    const side *x = (const side *)user;
    DX_CHECK(offset <= x->object.size && size <= x->object.size - offset);
    return source + offset;
}

static int store(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size)
{
    side *x = (side *)user;
    DX_CHECK(offset <= sizeof target && size <= sizeof target - offset);
    memcpy(target + offset, bytes, size);
    x->written++;
    return 0;
}

static int ask(void *user, const dx_bulk_object *object)
{
    side *x = (side *)user;
    x->asked = *object;
    return x->answer;
}

static void prepare(side *x, uint64_t size, uint32_t chunk_size)
{
    memset(x, 0, sizeof *x);
    for (size_t i = 0; i < sizeof source; i++) source[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + 1);
    memset(target, 0xee, sizeof target);
    x->object.size = size;
    x->object.chunk_size = chunk_size;
    x->object.transfer = TRANSFER;
    memset(x->object.hash, 0xab, sizeof x->object.hash);
    x->desc.user = x;
}

static void begin(side *x)
{
    x->desc.memory_size = dx_bulk_memory_size(&x->desc);
    DX_CHECK(x->desc.memory_size > 0);
    x->desc.memory = malloc(x->desc.memory_size);
    DX_CHECK(x->desc.memory != NULL);
    memset(x->desc.memory, 0xee, x->desc.memory_size);
    DX_CHECK_EQ(dx_bulk_init(&x->b, &x->desc), 0);
}

static void begin_sender(side *x)
{
    x->desc.object = &x->object;
    x->desc.read = fetch;
    begin(x);
}

static void begin_receiver(side *x)
{
    x->desc.write = store;
    x->desc.accept = ask;
    begin(x);
}

static void end(side *x) { free(x->desc.memory); }

/* The opcode of the piece to send now, 0: none; or the error. */
static int next(side *x, int connection, uint64_t now)
{
    int got = dx_bulk_next(&x->b, connection, now, &x->piece);
    if (got != 1) return got;
    return x->piece.head[0] == 0xff ? dx_bulk_p_load16(x->piece.head + 8) : x->piece.head[0]; /* Extended */
}

/* The chunk to send now, -1: none. */
static int next_chunk(side *x, int connection, uint64_t now)
{
    int got = next(x, connection, now);
    DX_CHECK(got == 0 || got == DX_HBTP_OP_FILE_CHUNK);
    if (!got) return -1;
    DX_CHECK_EQ(dx_bulk_p_load32(x->piece.head + 8), TRANSFER);
    uint64_t offset = dx_bulk_p_load64(x->piece.head + 16);
    DX_CHECK_EQ(offset % x->object.chunk_size, 0);
    return (int)(offset / x->object.chunk_size);
}

static int64_t feed(side *x, int connection, unsigned opcode, const void *payload, size_t size, uint64_t now)
{
    static uint8_t bytes[SOURCE + 64];
    unsigned flags = opcode >= DX_BULK_OP_OFFER && opcode <= DX_BULK_OP_END ? DX_HBTP_FLAG_HAS_CHECKSUM : 0;
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, bytes, sizeof bytes);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)opcode, (uint8_t)flags, 0, payload, (uint32_t)size), 0);
    int64_t got = dx_bulk_feed(&x->b, connection, bytes, out.used_, now);
    if (got >= 0) DX_CHECK_EQ(got, out.used_);
    return got < 0 ? got : 0;
}

/* A receiver's Have: the bits of up to 8 chunks, starting at a multiple of 8. */
static void have(side *x, int connection, uint32_t first, unsigned bits, uint64_t now)
{
    uint8_t p[11] = {0, 0, TRANSFER};
    dx_bulk_p_store32(p + 6, first);
    p[10] = (uint8_t)bits;
    DX_CHECK_EQ(feed(x, connection, DX_BULK_OP_HAVE, p, bits ? 11 : 10, now), 0);
}

/* A sender's connection after offer and acceptance. */
static int accepted(side *x, uint64_t now)
{
    int c = dx_bulk_open(&x->b, now);
    DX_CHECK(c >= 0);
    DX_CHECK_EQ(next(x, c, now), DX_BULK_OP_OFFER);
    have(x, c, 0, 0, now);
    return c;
}

static int64_t offer(side *x, int connection, uint64_t now)
{
    uint8_t p[54] = {1, 0, TRANSFER};
    dx_bulk_p_store32(p + 6, x->object.chunk_size);
    dx_bulk_p_store64(p + 14, x->object.size);
    memcpy(p + 22, x->object.hash, 32);
    return feed(x, connection, DX_BULK_OP_OFFER, p, sizeof p, now);
}

static uint32_t count_of(const side *x)
{
    return (uint32_t)((x->object.size + x->object.chunk_size - 1) / x->object.chunk_size);
}

/* The head of a chunk's frame, and its size; its data is at source + *offset. */
static uint32_t chunk_head(const side *x, uint32_t chunk, uint8_t head[24], uint64_t *offset)
{
    uint64_t at = (uint64_t)chunk * x->object.chunk_size, left = x->object.size - at;
    uint32_t size = left < x->object.chunk_size ? (uint32_t)left : x->object.chunk_size;
    memset(head, 0, 24);
    head[0] = DX_HBTP_OP_FILE_CHUNK;
    head[1] = chunk + 1 == count_of(x) ? DX_HBTP_FLAG_FINAL : 0;
    dx_bulk_p_store32(head + 4, 16 + size);
    dx_bulk_p_store32(head + 8, TRANSFER);
    dx_bulk_p_store32(head + 12, DX_BULK_CRC32C(0, source + at, size));
    dx_bulk_p_store64(head + 16, at);
    *offset = at;
    return size;
}

static int64_t chunk_in(side *x, int connection, uint32_t chunk, uint64_t now)
{
    static uint8_t bytes[SOURCE + 64];
    uint64_t offset;
    uint32_t size = chunk_head(x, chunk, bytes, &offset);
    memcpy(bytes + 24, source + offset, size);
    int64_t got = dx_bulk_feed(&x->b, connection, bytes, 24 + size, now);
    if (got >= 0) DX_CHECK_EQ(got, 24 + size);
    return got < 0 ? got : 0;
}

/* >>description --------------------------------------------------------- */
/* 40 bytes per connection, and per chunk one bit (receiver) or 8 bytes (sender). */
DX_TEST(bm_memory_is_what_the_header_says)
{
    for (uint32_t n = 1; n < 600; n++) {
        dx_bulk_desc d;
        dx_bulk_object o;
        memset(&d, 0, sizeof d);
        memset(&o, 0, sizeof o);
        d.write = store;
        d.chunks_max = n;
        d.connections_max = 1 + n % 256;
        DX_CHECK_EQ(dx_bulk_memory_size(&d), 40 * (size_t)d.connections_max + (n + 7) / 8);
        d.write = NULL;
        d.read = fetch;
        d.object = &o;
        o.size = 10 * (uint64_t)n;
        o.chunk_size = 10;
        size_t size = dx_bulk_memory_size(&d);
        DX_CHECK(size >= 40 * (size_t)d.connections_max + 8 * n && size <= 40 * (size_t)d.connections_max + 8 * (n + 1));
    }
}

DX_TEST(bm_defaults_of_the_description)
{
    side x;
    prepare(&x, 1000, 10);
    begin_sender(&x);
    for (int i = 0; i < 32; i++) DX_CHECK_EQ(dx_bulk_open(&x.b, T0), i);
    DX_CHECK_EQ(dx_bulk_open(&x.b, T0), DX_BULK_EAGAIN);
    DX_CHECK_EQ(dx_bulk_drop(&x.b, 7), 0);
    DX_CHECK_EQ(dx_bulk_drop(&x.b, 7), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_open(&x.b, T0), 7); /* the lowest free one */
    DX_CHECK_EQ(x.b.metrics.opened, 33);
    DX_CHECK_EQ(x.b.metrics.connections, 32);
    DX_CHECK_EQ(x.b.metrics.dropped, 1);
    DX_CHECK_EQ(next(&x, 0, T0), DX_BULK_OP_OFFER);
    have(&x, 0, 0, 0, T0);
    for (int i = 0; i < 64; i++) DX_CHECK_EQ(next_chunk(&x, 0, T0), i);
    DX_CHECK_EQ(next_chunk(&x, 0, T0), -1);
    have(&x, 0, 0, 1, T0);
    DX_CHECK_EQ(next_chunk(&x, 0, T0), 64);
    DX_CHECK_EQ(next_chunk(&x, 0, T0), -1);
    end(&x);

    static const uint32_t counts[] = {65536, 65537};
    for (int i = 0; i < 2; i++) {
        prepare(&x, counts[i], 1);
        begin_receiver(&x);
        for (int k = 0; k < 32; k++) DX_CHECK_EQ(dx_bulk_open(&x.b, T0), k);
        DX_CHECK_EQ(dx_bulk_open(&x.b, T0), DX_BULK_EAGAIN);
        DX_CHECK_EQ(offer(&x, 0, T0), i ? DX_BULK_ETOOBIG : 0);
        DX_CHECK_EQ(memcmp(&x.asked, &x.object, sizeof x.asked), 0);
        end(&x);
    }
}

DX_TEST(bm_limits_of_the_description)
{
    side x;
    dx_bulk_desc d;
    prepare(&x, 10, 10);
    x.desc.write = store;
    d = x.desc;
    d.chunks_max = INT32_MAX;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 32 * 40 + 268435456u);
    d.chunks_max++;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 0);
    d.chunks_max = 1;
    d.connections_max = 256;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 256 * 40 + 1);
    d.connections_max = 257;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 0);
    d = x.desc;
    d.object = &x.object; /* both a sender and a receiver */
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 0);
    d = x.desc;
    d.write = NULL;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 0);
    d.object = &x.object;
    d.read = fetch;
    x.object.chunk_size = DX_BULK_CHUNK_SIZE_MAX;
    DX_CHECK(dx_bulk_memory_size(&d) > 0);
    x.object.chunk_size = 1;
    x.object.size = 0x7fffffff;
    if (sizeof(size_t) > 4) DX_CHECK(dx_bulk_memory_size(&d) > 8 * UINT64_C(0x7fffffff));
    x.object.size++;
    DX_CHECK_EQ(dx_bulk_memory_size(&d), 0);
}

/* >>sender: which chunk, and where -------------------------------------- */
DX_TEST(bm_a_chunk_is_what_the_format_says)
{
    side x;
    prepare(&x, 25, 10);
    begin_sender(&x);
    int w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_OFFER);
    DX_CHECK_EQ(x.piece.data_size, 0);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 0); /* not patient: one before the answer */
    DX_CHECK_EQ(next_chunk(&x, w, T0), -1);
    have(&x, w, 0, 0, T0);
    for (uint32_t i = 1; i < 3; i++) {
        uint8_t head[24];
        uint64_t offset;
        DX_CHECK_EQ(next_chunk(&x, w, T0), i);
        uint32_t size = chunk_head(&x, i, head, &offset);
        DX_CHECK_EQ(x.piece.head_size, sizeof head);
        DX_CHECK_MEM(x.piece.head, head, sizeof head);
        DX_CHECK_EQ(x.piece.data_size, size);
        DX_CHECK(x.piece.data == source + offset);
    }
    DX_CHECK_EQ(x.b.metrics.in_flight, 3);
    DX_CHECK_EQ(x.b.metrics.bytes, 25);
    DX_CHECK_EQ(x.b.metrics.chunks_resent, 0);
    end(&x);

    prepare(&x, 25, 10);
    x.desc.patient = true;
    begin_sender(&x);
    w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_OFFER);
    DX_CHECK_EQ(next_chunk(&x, w, T0), -1);
    have(&x, w, 0, 1, T0); /* it has the first */
    DX_CHECK_EQ(x.b.front, 10);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 1);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 2);
    DX_CHECK_EQ(next_chunk(&x, w, T0), -1);
    end(&x);
}

/* Three connections: `fast`, whose chunks took 100 ticks, then 200; `slow`, which has 4 to 7, of which 5 is the oldest. */
static void two_speeds(side *x, int *fast, int *slow)
{
    prepare(x, 80, 10);
    x->desc.window = 4;
    begin_sender(x);
    *fast = accepted(x, T0);
    *slow = accepted(x, T0);
    int lost = accepted(x, T0);
    for (int i = 0; i < 4; i++) DX_CHECK_EQ(next_chunk(x, *fast, T0), i);
    DX_CHECK_EQ(next_chunk(x, lost, T0), 4);
    for (int i = 5; i < 8; i++) DX_CHECK_EQ(next_chunk(x, *slow, T0 + TICK * (uint64_t)(i - 4)), i);
    DX_CHECK_EQ(x->b.metrics.in_flight, 8);
    DX_CHECK_EQ(dx_bulk_drop(&x->b, lost), 0);
    DX_CHECK_EQ(x->b.metrics.chunks_lost, 1);
    DX_CHECK_EQ(x->b.metrics.in_flight, 7);
    DX_CHECK_EQ(next_chunk(x, *slow, T0 + 4 * TICK), 4);
    DX_CHECK_EQ(x->b.metrics.chunks_resent, 1);
    have(x, *fast, 0, 1, T0 + 100 * TICK);
    have(x, *fast, 0, 3, T0 + 200 * TICK);
    DX_CHECK_EQ(x->b.metrics.in_flight, 6);
    DX_CHECK_EQ(x->b.metrics.bytes_done, 20);
    DX_CHECK_EQ(x->b.front, 20);
}

/* The average is 125 ticks, so another connection's chunk is overdue after more than 250. */
DX_TEST(bm_the_oldest_overdue_chunk_of_others_is_repeated)
{
    side x;
    int fast, slow;
    const uint64_t late = T0 + TICK + 250 * TICK; /* 5 was sent at T0 + TICK */
    two_speeds(&x, &fast, &slow);
    DX_CHECK_EQ(next_chunk(&x, fast, late), -1);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, late), late + 5 * MS);
    DX_CHECK_EQ(next_chunk(&x, fast, late + MS), -1); /* too early for the next look */
    DX_CHECK_EQ(next_chunk(&x, fast, late + 2 * MS), 5);
    end(&x);

    two_speeds(&x, &fast, &slow);
    DX_CHECK_EQ(next_chunk(&x, fast, late + TICK), 5);
    DX_CHECK_EQ(x.b.metrics.chunks_resent, 2);
    DX_CHECK_EQ(x.b.metrics.in_flight, 6);
    DX_CHECK_EQ(next_chunk(&x, fast, late + TICK + 2 * MS), 6); /* it has 2, 3, 5, 6: its window */
    DX_CHECK_EQ(next_chunk(&x, fast, late + TICK + 4 * MS), -1);
    have(&x, fast, 0, 0x23, late + 5 * MS); /* 5 counts as its own */
    DX_CHECK_EQ(x.b.metrics.in_flight, 5);
    DX_CHECK_EQ(next_chunk(&x, fast, late + 9 * MS), 7);
    DX_CHECK_EQ(dx_bulk_drop(&x.b, slow), 0); /* only 4 was still its own */
    DX_CHECK_EQ(x.b.metrics.chunks_lost, 2);
    DX_CHECK_EQ(x.b.metrics.in_flight, 4);
    end(&x);

    two_speeds(&x, &fast, &slow); /* a connection without any acknowledgement has no known speed */
    DX_CHECK_EQ(next_chunk(&x, slow, T0 + S), -1);
    end(&x);
}

DX_TEST(bm_own_chunks_are_not_repeated)
{
    side x;
    prepare(&x, 30, 10);
    begin_sender(&x);
    int w = accepted(&x, T0);
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(next_chunk(&x, w, T0), i);
    have(&x, w, 0, 1, T0 + 10 * TICK);
    for (uint64_t t = 1; t < 9; t++) DX_CHECK_EQ(next_chunk(&x, w, T0 + t * S), -1);
    DX_CHECK_EQ(x.b.metrics.chunks_resent, 0);
    end(&x);
}

/* A lost connection's chunks in flight are sent again, the lowest first; those that have arrived are not. */
DX_TEST(bm_a_lost_connection_gives_back_its_chunks)
{
    side x;
    prepare(&x, 100, 10);
    x.desc.window = 5;
    begin_sender(&x);
    int a = accepted(&x, T0), b = accepted(&x, T0);
    for (int i = 0; i < 5; i++) DX_CHECK_EQ(next_chunk(&x, a, T0), i);
    for (int i = 5; i < 8; i++) DX_CHECK_EQ(next_chunk(&x, b, T0), i);
    have(&x, a, 0, 0x0a, T0); /* 1 and 3 */
    DX_CHECK_EQ(dx_bulk_drop(&x.b, a), 0);
    DX_CHECK_EQ(x.b.metrics.chunks_lost, 3);
    DX_CHECK_EQ(x.b.metrics.in_flight, 3);
    DX_CHECK_EQ(x.b.metrics.connections, 1);
    DX_CHECK_EQ(next_chunk(&x, b, T0), 0);
    DX_CHECK_EQ(next_chunk(&x, b, T0), 2);
    DX_CHECK_EQ(next_chunk(&x, b, T0), -1); /* window full */
    have(&x, b, 0, 0xef, T0);
    DX_CHECK_EQ(next_chunk(&x, b, T0), 4);
    DX_CHECK_EQ(next_chunk(&x, b, T0), 8);
    DX_CHECK_EQ(next_chunk(&x, b, T0), 9);
    DX_CHECK_EQ(x.b.metrics.chunks_resent, 3);
    DX_CHECK_EQ(x.b.metrics.in_flight, 3);
    end(&x);
}

/* Up to 0.1 ms, 0.2 ms, 0.4 ms ...: the bucket of each time, also at its limit (which is no whole tick). */
DX_TEST(bm_latency_by_bucket)
{
    for (unsigned k = 0; k < 16; k++) {
        for (unsigned over = 0; over < 2; over++) {
            side x;
            uint64_t took = ((100000u << k) / TICK + over) * TICK;
            prepare(&x, 30, 10);
            begin_sender(&x);
            int w = accepted(&x, T0);
            DX_CHECK_EQ(next_chunk(&x, w, T0), 0);
            have(&x, w, 0, 1, T0 + took);
            for (unsigned i = 0; i < 15; i++)
                DX_CHECK_EQ(x.b.metrics.latency[i], i == (k + over < 14 ? k + over : 14));
            end(&x);
        }
    }
}

/* >>times --------------------------------------------------------------- */
DX_TEST(bm_a_silent_connection_is_asked_after_a_sixth_and_given_up_after_all_of_it)
{
    for (int by_default = 0; by_default < 2; by_default++) {
        side x;
        uint64_t t = T0;
        const uint64_t limit = by_default ? 60 * S : 6 * S;
        prepare(&x, 100, 10);
        x.desc.window = 1;
        x.desc.timeout_ns = by_default ? 0 : limit;
        begin_sender(&x);
        int w = accepted(&x, t);
        DX_CHECK_EQ(next_chunk(&x, w, t), 0);
        for (int round = 0; round < 3; round++) {
            DX_CHECK_EQ(next(&x, w, t + limit / 6 - 1), 0);
            DX_CHECK_EQ(next(&x, w, t + limit / 6), DX_HBTP_OP_PING);
            DX_CHECK_EQ(x.piece.head_size, 12); /* empty, with its checksum */
            DX_CHECK_EQ(x.piece.data_size, 0);
            DX_CHECK_EQ(next(&x, w, t + limit / 6), 0); /* once */
            DX_CHECK_EQ(next(&x, w, t + limit / 2), 0);
            t += limit - 1;
            DX_CHECK_EQ(next(&x, w, t), 0);
            DX_CHECK_EQ(feed(&x, w, DX_HBTP_OP_PONG, NULL, 0, t), 0);
        }
        DX_CHECK_EQ(x.b.metrics.timeouts, 0);
        DX_CHECK_EQ(next(&x, w, t + limit), DX_BULK_ETIMEDOUT);
        DX_CHECK_EQ(x.b.metrics.timeouts, 1);
        end(&x);
    }
}

/* A connection with nothing pending may be silent forever; what is sent afterwards has the full time. */
DX_TEST(bm_the_time_counts_from_what_it_waits_for)
{
    for (int what = 0; what < 2; what++) {
        side x;
        const uint64_t t = T0 + 3600 * S;
        prepare(&x, 20, 10);
        begin_sender(&x);
        int w = accepted(&x, T0), sent;
        uint32_t healthy = 9;
        DX_CHECK_EQ(next_chunk(&x, w, T0), 0);
        have(&x, w, 0, what ? 3 : 1, T0);
        DX_CHECK_EQ(dx_bulk_health(&x.b, 1, t, &healthy), 0);
        DX_CHECK_EQ(healthy, 1);
        sent = next(&x, w, t);
        DX_CHECK_EQ(sent, what ? DX_HBTP_OP_PING : DX_HBTP_OP_FILE_CHUNK);
        DX_CHECK_EQ(next(&x, w, t + 60 * S - 1), what ? 0 : DX_HBTP_OP_PING);
        DX_CHECK_EQ(next(&x, w, t + 60 * S), DX_BULK_ETIMEDOUT);
        end(&x);
    }
}

/* Neither an answer to the Offer nor an offer arrives. */
DX_TEST(bm_an_answer_that_does_not_come)
{
    side x;
    prepare(&x, 20, 10);
    x.desc.patient = true;
    begin_sender(&x);
    int w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_OFFER);
    DX_CHECK_EQ(next(&x, w, T0 + 60 * S - 1), DX_HBTP_OP_PING);
    DX_CHECK_EQ(next(&x, w, T0 + 60 * S), DX_BULK_ETIMEDOUT);
    end(&x);
    prepare(&x, 20, 10);
    begin_receiver(&x);
    w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(next(&x, w, T0 + 60 * S - 1), 0);
    DX_CHECK_EQ(next(&x, w, T0 + 60 * S), DX_BULK_ETIMEDOUT);
    DX_CHECK_EQ(x.b.metrics.timeouts, 1);
    end(&x);
}

DX_TEST(bm_when_to_call_again)
{
    side x;
    prepare(&x, 40, 10);
    begin_sender(&x);
    int w = accepted(&x, T0);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, T0), T0 + S); /* a sixtieth of the timeout */
    for (int i = 0; i < 4; i++) DX_CHECK_EQ(next_chunk(&x, w, T0), i);
    DX_CHECK_EQ(next_chunk(&x, w, T0), -1);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, T0), T0 + 5 * MS);
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 500, 5 * MS - 1, T0), 0);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, T0), T0 + 5 * MS - 1);
    DX_CHECK_EQ(next(&x, w, T0 + 5 * MS - 2), 0);
    DX_CHECK_EQ(x.b.state, DX_BULK_RUNNING);
    DX_CHECK_EQ(next(&x, w, T0 + 5 * MS - 1), DX_BULK_OP_END);
    DX_CHECK_EQ(x.b.state, DX_BULK_FAILED);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, T0), UINT64_MAX);
    end(&x);

    prepare(&x, 40, 10);
    x.desc.timeout_ns = 600;
    begin_receiver(&x);
    DX_CHECK_EQ(dx_bulk_wake(&x.b, T0), T0 + 10);
    end(&x);
}

/* 10 bytes at 1000 a second take 10 ms; the default burst of 20 ms is two chunks. */
DX_TEST(bm_the_rate_by_the_clock)
{
    side x;
    prepare(&x, 100, 10);
    x.desc.rate = 1000;
    begin_sender(&x);
    int w = accepted(&x, T0);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 0);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 1);
    DX_CHECK_EQ(next_chunk(&x, w, T0), -1);
    uint64_t t = T0;
    for (int i = 2; i < 5; i++) { /* one per 10 ms, apart from rounding to nanoseconds */
        uint64_t wake = dx_bulk_wake(&x.b, t);
        DX_CHECK(wake > t && wake >= T0 + (uint64_t)(i - 2) * 10 * MS && wake <= T0 + (uint64_t)(i - 2) * 10 * MS + 10);
        DX_CHECK_EQ(next_chunk(&x, w, wake - 1), -1);
        DX_CHECK_EQ(next_chunk(&x, w, wake), i);
        DX_CHECK_EQ(next_chunk(&x, w, wake), -1);
        t = wake;
    }
    t += S; /* idle time is not made up for */
    DX_CHECK_EQ(dx_bulk_wake(&x.b, t), t + S);
    DX_CHECK_EQ(next_chunk(&x, w, t), 5);
    DX_CHECK_EQ(next_chunk(&x, w, t), 6);
    DX_CHECK_EQ(next_chunk(&x, w, t), -1);
    end(&x);
}

DX_TEST(bm_stop_limits_and_ends)
{
    side x;
    prepare(&x, 40, 10);
    begin_sender(&x);
    int w = accepted(&x, T0), fresh = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 399, 0, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 600, 0, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_stop(NULL, 400, 0, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(x.b.state, DX_BULK_RUNNING);
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 599, S, T0), 0);
    DX_CHECK_EQ(x.b.state, DX_BULK_RUNNING);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_END); /* nothing was in flight */
    DX_CHECK_EQ(dx_bulk_p_load16(x.piece.head + 8), DX_BULK_OP_END);
    DX_CHECK_EQ(dx_bulk_p_load16(x.piece.head + 10), 599);
    DX_CHECK_EQ(dx_bulk_p_load32(x.piece.head + 12), TRANSFER);
    DX_CHECK_EQ(x.b.state, DX_BULK_FAILED);
    DX_CHECK_EQ(x.b.error, DX_BULK_ECANCELED);
    DX_CHECK_EQ(x.b.status, 599);
    DX_CHECK_EQ(next(&x, w, T0), 0);     /* sent once */
    DX_CHECK_EQ(next(&x, fresh, T0), 0); /* nothing was offered there */
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 599, S, T0), DX_BULK_ECANCELED);
    end(&x);

    for (int receiver = 0; receiver < 2; receiver++) {
        prepare(&x, 40, 10);
        if (receiver) begin_receiver(&x);
        else begin_sender(&x);
        DX_CHECK_EQ(dx_bulk_stop(&x.b, 400, receiver ? S : 0, T0), 0); /* at once */
        DX_CHECK_EQ(x.b.state, DX_BULK_FAILED);
        DX_CHECK_EQ(x.b.status, 400);
        end(&x);
    }
}

/* >>receiver: what it reports ------------------------------------------- */
/* After any chunks, new and repeated, the reports cover each of them and claim no others. */
DX_PROPERTY(bm_each_chunk_is_reported, 3000)
{
    static bool here[5000], owed[5000];
    side x;
    uint32_t count = (uint32_t)dx_choose_range(c, 1, dx_choose(c, 3) ? 40 : 4999);
    prepare(&x, count, 1);
    x.desc.chunks_max = count;
    begin_receiver(&x);
    memset(here, 0, sizeof here);
    memset(owed, 0, sizeof owed);
    int w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(next(&x, w, T0), 0);
    DX_CHECK_EQ(offer(&x, w, T0), 0);
    for (uint64_t n = dx_choose_range(c, 1, 12); n; n--) {
        for (uint64_t k = dx_choose(c, 3); k; k--) {
            uint32_t i = (uint32_t)dx_choose(c, count - 1);
            DX_CHECK_EQ(chunk_in(&x, w, i, T0), 0);
            here[i] = owed[i] = true;
        }
        uint32_t first = count, last = 0, frames = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (!owed[i]) continue;
            if (first == count) first = i & ~7u;
            last = i + 1;
        }
        int got;
        while ((got = next(&x, w, T0)) == DX_BULK_OP_HAVE) {
            const uint8_t *p = x.piece.head + 8; /* field, transfer, first, bits, checksum */
            DX_CHECK_EQ(dx_bulk_p_load16(p + 2), 0);
            DX_CHECK_EQ(dx_bulk_p_load32(p + 4), TRANSFER);
            uint32_t at = dx_bulk_p_load32(p + 8), bytes = x.piece.head_size - 8 - 12 - 4;
            DX_CHECK(at % 8 == 0 && bytes <= 64);
            for (uint32_t i = 0; i < bytes * 8; i++) {
                bool set = (p[12 + i / 8] >> i % 8 & 1) != 0;
                DX_CHECK_EQ(set, at + i < count && here[at + i]);
                if (set) owed[at + i] = false;
            }
            frames++;
        }
        DX_CHECK_EQ(got, 0);
        for (uint32_t i = 0; i < count; i++) DX_CHECK(!owed[i]);
        if (first < last) DX_CHECK_EQ(frames, (last - first + 511) / 512); /* and no more than needed */
        else DX_CHECK(frames <= 1);
    }
    end(&x);
}

/* A later connection is told at once of everything that has arrived. */
DX_TEST(bm_a_new_connection_hears_of_everything)
{
    side x;
    prepare(&x, 1000, 1);
    begin_receiver(&x);
    int v = dx_bulk_open(&x.b, T0), w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(offer(&x, v, T0), 0);
    DX_CHECK_EQ(next(&x, v, T0), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(x.piece.head_size, 24); /* nothing */
    DX_CHECK_EQ(next(&x, v, T0), 0);
    DX_CHECK_EQ(chunk_in(&x, v, 999, T0), 0);
    DX_CHECK_EQ(chunk_in(&x, w, 1, T0), DX_BULK_ENOTFOUND); /* nothing was offered there */
    DX_CHECK_EQ(offer(&x, w, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(x.piece.head_size, 24 + 64);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(x.piece.head_size, 24 + 61);
    DX_CHECK_EQ(dx_bulk_p_load32(x.piece.head + 16), 512);
    DX_CHECK_EQ(x.piece.head[20 + 60], 0x80);
    DX_CHECK_EQ(next(&x, w, T0), 0);
    DX_CHECK_EQ(feed(&x, w, DX_HBTP_OP_PING, NULL, 0, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0), DX_HBTP_OP_PONG);
    DX_CHECK_EQ(next(&x, w, T0), 0);
    DX_CHECK_EQ(feed(&x, w, DX_HBTP_OP_PONG, NULL, 0, T0), 0); /* unrequested */
    DX_CHECK_EQ(next(&x, w, T0), 0);
    end(&x);
}

DX_TEST(bm_the_end_is_said_once_on_each_connection)
{
    side x;
    prepare(&x, 10, 10);
    begin_receiver(&x);
    int v = dx_bulk_open(&x.b, T0), w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(offer(&x, v, T0), 0);
    DX_CHECK_EQ(dx_bulk_verify(&x.b, true), DX_BULK_EINVAL); /* it is not complete */
    DX_CHECK_EQ(chunk_in(&x, v, 0, T0), 0);
    DX_CHECK_EQ(x.b.state, DX_BULK_WHOLE);
    DX_CHECK_EQ(x.written, 1);
    DX_CHECK_EQ(next(&x, v, T0), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(next(&x, v, T0), 0);
    DX_CHECK_EQ(dx_bulk_verify(&x.b, true), 0);
    DX_CHECK_EQ(x.b.state, DX_BULK_DONE);
    DX_CHECK_EQ(next(&x, v, T0), DX_BULK_OP_END);
    DX_CHECK_EQ(dx_bulk_p_load16(x.piece.head + 10), 0);
    DX_CHECK_EQ(next(&x, v, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0), 0); /* nothing was offered there */
    DX_CHECK_EQ(offer(&x, w, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(next(&x, w, T0), DX_BULK_OP_END);
    DX_CHECK_EQ(next(&x, w, T0), 0);
    DX_CHECK_EQ(x.b.metrics.bad_frames, 0);
    end(&x);
}

/* Two whole frames and part of a third: consumed bytes are counted, the rest stays. */
DX_TEST(bm_feed_consumes_whole_frames)
{
    side x;
    uint8_t bytes[3 * 34];
    uint64_t offset;
    prepare(&x, 40, 10);
    begin_receiver(&x);
    int w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(offer(&x, w, T0), 0);
    for (uint32_t i = 0; i < 3; i++) {
        chunk_head(&x, i, bytes + 34 * i, &offset);
        memcpy(bytes + 34 * i + 24, source + offset, 10);
    }
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, bytes, 34 * 3 - 1, T0), 68);
    DX_CHECK_EQ(x.written, 2);
    DX_CHECK_EQ(x.b.front, 20);
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, bytes + 68, 34, T0), 34);
    DX_CHECK_MEM(target, source, 30);
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, NULL, 0, T0 + 50 * S), 0);
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, NULL, 1, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w + 1, bytes, 34, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, bytes, 3, T0 + 59 * S), 0); /* partial, but a sign of life */
    DX_CHECK_EQ(next(&x, w, T0 + 70 * S), DX_BULK_OP_HAVE);
    bytes[4] = 250; /* longer than a chunk can be */
    DX_CHECK_EQ(dx_bulk_feed(&x.b, w, bytes, 34, T0), DX_BULK_ETOOBIG);
    end(&x);
}

/* After a failure, every further frame returns it; nothing that is fed counts as a sign of life. */
DX_TEST(bm_frames_after_a_failure)
{
    for (int receiver = 0; receiver < 2; receiver++) {
        side x;
        prepare(&x, 40, 10);
        if (receiver) begin_receiver(&x);
        else begin_sender(&x);
        int w = dx_bulk_open(&x.b, T0);
        DX_CHECK_EQ(dx_bulk_stop(&x.b, 500, 0, T0), 0);
        DX_CHECK_EQ(feed(&x, w, DX_HBTP_OP_PING, NULL, 0, T0), DX_BULK_ECANCELED);
        DX_CHECK_EQ(dx_bulk_frame(&x.b, w, NULL, T0), DX_BULK_EINVAL);
        end(&x);
    }
}

/* A sender answers no Ping, and its own question is repeated after a Ping from the other side. */
DX_TEST(bm_a_ping_to_a_sender)
{
    side x;
    prepare(&x, 40, 10);
    x.desc.window = 1;
    begin_sender(&x);
    int w = accepted(&x, T0);
    DX_CHECK_EQ(next_chunk(&x, w, T0), 0);
    DX_CHECK_EQ(feed(&x, w, DX_HBTP_OP_PING, NULL, 0, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0), 0);
    DX_CHECK_EQ(next(&x, w, T0 + 10 * S), DX_HBTP_OP_PING);
    end(&x);
}

/* >>in place ------------------------------------------------------------- */
typedef struct place {
    uint8_t  head[24];
    uint64_t offset, told;
    uint32_t size, told_size;
} place;

static int ask_place(side *x, int connection, uint32_t chunk, place *p, uint64_t now)
{
    p->size = chunk_head(x, chunk, p->head, &p->offset);
    p->told = p->told_size = 0;
    return dx_bulk_place(&x->b, connection, p->head, now, &p->told, &p->told_size);
}

DX_TEST(bm_chunks_in_their_place)
{
    side x;
    place p, q;
    prepare(&x, 45, 10);
    begin_receiver(&x);
    int v = dx_bulk_open(&x.b, T0), w = dx_bulk_open(&x.b, T0);
    DX_CHECK_EQ(ask_place(&x, v, 1, &p, T0), 0); /* no offer yet */
    DX_CHECK_EQ(offer(&x, v, T0), 0);
    DX_CHECK_EQ(offer(&x, w, T0), 0);
    DX_CHECK_EQ(ask_place(&x, v, 4, &p, T0), 1);
    DX_CHECK_EQ(p.told, p.offset);
    DX_CHECK_EQ(p.told_size, 5);
    DX_CHECK_EQ(ask_place(&x, v, 4, &p, T0), 1); /* asked again before each receive */
    DX_CHECK_EQ(ask_place(&x, w, 4, &q, T0), 0); /* it is being received there already */
    DX_CHECK_EQ(ask_place(&x, w, 3, &q, T0), 1);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source + p.offset, T0), 0);
    DX_CHECK_EQ(x.b.metrics.bytes_done, 5);
    DX_CHECK_EQ(x.written, 0);
    DX_CHECK_EQ(ask_place(&x, v, 4, &p, T0), 0); /* it has arrived */
    DX_CHECK_EQ(ask_place(&x, v, 3, &p, T0), 0);
    DX_CHECK_EQ(dx_bulk_drop(&x.b, w), 0);
    DX_CHECK_EQ(ask_place(&x, v, 3, &p, T0), 1); /* the connection that was to deliver it is closed */
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source, T0), DX_BULK_ECORRUPT); /* other bytes */
    DX_CHECK_EQ(x.b.metrics.bad_checksums, 1);
    DX_CHECK_EQ(x.b.metrics.bad_frames, 1);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source + p.offset, T0), DX_BULK_EINVAL); /* not requested */
    DX_CHECK_EQ(x.b.metrics.bytes_done, 5);
    DX_CHECK_EQ(dx_bulk_place(NULL, v, p.head, T0, &p.told, &p.told_size), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_place(&x.b, w, p.head, T0, &p.told, &p.told_size), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_place(&x.b, v, NULL, T0, &p.told, &p.told_size), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_place(&x.b, v, p.head, T0, NULL, &p.told_size), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_place(&x.b, v, p.head, T0, &p.told, NULL), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, w, p.head, source, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, NULL, source, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, NULL, T0), DX_BULK_EINVAL);
    /* both the request and the receive are signs of life */
    DX_CHECK_EQ(next(&x, v, T0 + 59 * S), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(ask_place(&x, v, 1, &p, T0 + 59 * S), 1);
    DX_CHECK_EQ(next(&x, v, T0 + 118 * S), 0);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source + p.offset, T0 + 118 * S), 0);
    DX_CHECK_EQ(next(&x, v, T0 + 177 * S), DX_BULK_OP_HAVE);
    DX_CHECK_EQ(dx_bulk_stop(&x.b, 500, 0, T0), 0);
    DX_CHECK_EQ(ask_place(&x, v, 2, &p, T0), 0);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source + p.offset, T0), DX_BULK_ECANCELED);
    end(&x);
    prepare(&x, 45, 10);
    begin_sender(&x);
    v = accepted(&x, T0);
    DX_CHECK_EQ(ask_place(&x, v, 1, &p, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_placed(&x.b, v, p.head, source, T0), DX_BULK_EINVAL);
    end(&x);
}

/* >>state ---------------------------------------------------------------- */
DX_TEST(bm_a_state_byte_for_byte)
{
    for (uint32_t count = 1; count < 40; count++) {
        side x, y;
        uint8_t state[80], want[80];
        size_t bits = (count + 7) / 8, size = 56 + bits;
        prepare(&x, 10 * (uint64_t)count - 3, 10);
        begin_receiver(&x);
        DX_CHECK_EQ(dx_bulk_save(&x.b, state, sizeof state), DX_BULK_ENOTFOUND);
        int w = dx_bulk_open(&x.b, T0);
        DX_CHECK_EQ(offer(&x, w, T0), 0);
        memset(want, 0, sizeof want);
        memcpy(want, "DXBK\1", 5);
        want[8] = 10;
        dx_bulk_p_store64(want + 16, x.object.size);
        memset(want + 24, 0xab, 32);
        uint64_t done = 0;
        for (uint32_t i = 0; i < count; i += 1 + i % 3) {
            DX_CHECK_EQ(chunk_in(&x, w, i, T0), 0);
            want[56 + i / 8] |= (uint8_t)(1u << i % 8);
            done += i + 1 < count ? 10 : 7;
        }
        dx_bulk_p_store32(want + size, DX_BULK_CRC32C(0, want, size));
        DX_CHECK_EQ(dx_bulk_save(&x.b, state, size + 3), DX_BULK_ENOSPACE);
        DX_CHECK_EQ(dx_bulk_save(&x.b, state, size + 4), size + 4);
        DX_CHECK_MEM(state, want, size + 4);
        DX_CHECK_EQ(dx_bulk_load(&x.b, state, size + 4), DX_BULK_EINVAL); /* not new */

        prepare(&y, x.object.size, 10);
        y.desc.chunks_max = count;
        begin_receiver(&y);
        DX_CHECK_EQ(dx_bulk_load(&y.b, state, size + 4), 0);
        DX_CHECK(y.b.known);
        DX_CHECK_EQ(y.b.state, DX_BULK_WAITING);
        DX_CHECK_EQ(y.b.metrics.bytes_done, done);
        DX_CHECK_EQ(y.b.front, x.b.front);
        DX_CHECK_EQ(y.b.object.size, x.object.size);
        w = dx_bulk_open(&y.b, T0);
        DX_CHECK_EQ(offer(&y, w, T0), 0);
        DX_CHECK_EQ(y.b.metrics.bytes_done, done);
        for (uint32_t i = 0; i < count; i++) DX_CHECK_EQ(chunk_in(&y, w, i, T0), 0);
        DX_CHECK_EQ(y.b.state, DX_BULK_WHOLE);
        DX_CHECK_EQ(y.b.metrics.bytes_done, y.object.size);
        DX_CHECK_EQ(y.b.front, y.object.size);
        DX_CHECK_EQ(y.b.metrics.chunks_duplicate, x.written);
        end(&x);
        end(&y);
    }
}

/* Sealed again, with one field at a time out of range. */
DX_TEST(bm_a_state_that_lies)
{
    static const struct { uint8_t at, value, error; } bad[] = {
        {0, 'd', 0}, {4, 2, 1}, {5, 1, 1}, {12, 1, 0}, {15, 1, 0}, {8, 0, 0}, {16, 161, 0}, {16, 80, 0},
        {16, 101, 2}, {57, 4, 0}, {57, 0x80, 0}, {57, 1, 2}, {57, 2, 2},
    };
    static const int errors[] = {DX_BULK_ECORRUPT, DX_BULK_EVERSION, DX_BULK_OK};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        side x;
        uint8_t p[62] = "DXBK\1";
        p[8] = 10;
        p[16] = 100;
        p[bad[i].at] = bad[i].value;
        dx_bulk_p_store32(p + 58, DX_BULK_CRC32C(0, p, 58));
        prepare(&x, 100, 10);
        begin_receiver(&x);
        DX_CHECK_EQ(dx_bulk_load(&x.b, p, 59), DX_BULK_ETRUNCATED);
        DX_CHECK_EQ(dx_bulk_load(&x.b, p, 62), errors[bad[i].error]);
        DX_CHECK_EQ(x.b.known, bad[i].error == 2);
        end(&x);
    }
}

/* >>how many connections ------------------------------------------------- */
typedef struct control {
    dx_bulk_control k;
    uint64_t             bytes, now;
} control;

static void control_begin(control *c, uint32_t least, uint32_t most, uint32_t count)
{
    memset(c, 0, sizeof *c);
    c->k.count_min = least;
    c->k.count_max = most;
    c->k.count = count;
    c->now = T0;
    dx_bulk_control_update(&c->k, 0, T0);
}

/* One interval at this many bytes per second. */
static uint32_t control_step(control *c, uint64_t rate)
{
    uint32_t was = c->k.count;
    DX_CHECK_EQ(dx_bulk_control_update(&c->k, c->bytes + rate / 2, c->now + S - 1), was); /* too early */
    c->now += S;
    c->bytes += rate;
    return dx_bulk_control_update(&c->k, c->bytes, c->now);
}

DX_TEST(bm_control_begins_within_its_limits)
{
    static const uint32_t counts[][4] = { /* minimum, maximum, wanted: result */
        {0, 0, 0, 32}, {0, 0, 1, 16}, {0, 0, 300, 256}, {0, 0, 16, 16}, {0, 0, 256, 256}, {40, 0, 0, 40}, {0, 20, 0, 20},
        {1, 1, 0, 1}, {3, 9, 5, 5},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        control t;
        control_begin(&t, counts[i][0], counts[i][1], counts[i][2]);
        DX_CHECK_EQ(t.k.count, counts[i][3]);
    }
}

/* More must gain 5 %, half as many may lose 2 %: one trial on each side of both limits. */
DX_TEST(bm_control_keeps_what_is_better)
{
    static const struct { uint64_t trial; bool kept; } more[] = {{1100, true}, {1060, true}, {1040, false}, {1000, false}, {0, false}},
                                                      fewer[] = {{1500, true}, {1000, true}, {985, true}, {975, false}, {0, false}};
    for (size_t i = 0; i < 5; i++) {
        control t;
        control_begin(&t, 4, 64, 16);
        DX_CHECK_EQ(control_step(&t, 1000000), 32);
        DX_CHECK_EQ(control_step(&t, 5), 32); /* nor one after a change */
        DX_CHECK_EQ(control_step(&t, more[i].trial * 1000), more[i].kept ? 64 : 16);
        if (more[i].kept) { /* the next must be better than this one */
            DX_CHECK_EQ(control_step(&t, 5), 64);
            DX_CHECK_EQ(control_step(&t, more[i].trial * 1030), 32);
            continue;
        }
        uint32_t count = 16;
        for (int n = 0; n < 8 && count == 16; n++) count = control_step(&t, 1000000);
        DX_CHECK_EQ(count, 8); /* then the other way */
        DX_CHECK_EQ(control_step(&t, 5), 8);
        DX_CHECK_EQ(control_step(&t, fewer[i].trial * 1000), fewer[i].kept ? 4 : 16);
        if (!fewer[i].kept) continue;
        DX_CHECK_EQ(control_step(&t, 5), 4);
        /* many small losses add up */
        DX_CHECK_EQ(control_step(&t, fewer[i].trial * 985), fewer[i].trial > 1000 ? 4 : fewer[i].trial == 1000 ? 4 : 8);
    }
}

/* It looks for better numbers less and less often if there are none, but never stops; and finds them when there are. */
DX_TEST(bm_control_looks_less_often_but_goes_on)
{
    control t;
    uint32_t quiet = 0, before = 0, trials = 0, longest = 0;
    control_begin(&t, 4, 64, 16);
    for (int n = 0; n < 3000; n++) {
        uint32_t was = t.k.count, count = control_step(&t, was == 16 ? 1000000 : 500000);
        if (count == 16) {
            quiet++;
        } else if (was == 16) {
            DX_CHECK(count == 8 || count == 32);
            if (trials && before < 64) DX_CHECK(quiet > before);
            DX_CHECK(quiet <= 64 + 4);
            before = quiet;
            if (longest < quiet) longest = quiet;
            quiet = 0;
            trials++;
        }
    }
    DX_CHECK(longest >= 64);
    DX_CHECK(trials >= 3000 / 70 && trials <= 60);
    for (int n = 0; n < 300 && t.k.count != 64; n++) control_step(&t, t.k.count * UINT64_C(100000));
    DX_CHECK_EQ(t.k.count, 64);
}

/* The kernel's measurements of the path: one step on each side of each limit. Rates are of one number of connections each time. */
static void control_path(control *c, uint32_t loss_ppm, uint32_t queue_percent)
{
    c->k.has_path = true;
    c->k.loss_ppm = loss_ppm;
    c->k.queue_percent = queue_percent;
}

DX_TEST(bm_control_path_says_which_way)
{
    static const struct { uint32_t loss_ppm, queue_percent, count; } first[] = {
        {10000, 0, 32}, {100, 9, 32}, {100, 10, 24}, {10000, 24, 24}, /* each connection is the limit: more; twice as many while the link is idle */
        {10000, 25, 16}, {0, 25, 16}, {0, 1000, 16},                 /* a queue: not yet */
        {99, 24, 16}, {0, 0, 16},                                    /* neither: the windows may still grow */
    };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        control t;
        control_begin(&t, 4, 256, 16);
        control_path(&t, first[i].loss_ppm, first[i].queue_percent);
        DX_CHECK_EQ(control_step(&t, 1000000), first[i].count);
    }
}

/* A queue that lasts: a trial after 8 intervals, as it may be of each connection alone; where packets are lost, too, after 40, with fewer. BBR loses
   more at random without being slower: there only a loss of 2 % counts, which is the queue's. Whoever yields tries a quarter fewer after 5. */
DX_TEST(bm_control_believes_a_lasting_queue)
{
    static const uint32_t loss_ppm[] = {99, 100, 19999, 20000};
    for (int i = 0; i < 8; i++) {
        control t;
        const bool bears_loss = i == 2 || i == 3, lossy = (i & 1) != 0, yields = i > 3;
        const int lasts = yields ? 5 : lossy ? 40 : 8;
        control_begin(&t, 4, 256, 16);
        t.k.bears_loss = bears_loss;
        t.k.yields = yields;
        control_path(&t, loss_ppm[i % 4], 25);
        for (int n = 1; n < lasts; n++) DX_CHECK_EQ(control_step(&t, 1000000), 16);
        DX_CHECK_EQ(control_step(&t, 1000000), yields ? 12 : lossy ? 8 : 32);
    }
}

/* Others fill the link, too: each connection gets an equal part, and the queue stays. As few connections are left as may be, and a later trial with
   more, which takes from the others, is not kept. Each takes more for a while whenever it is new. */
DX_PROPERTY(bm_control_leaves_the_link_to_others, 300)
{
    control t;
    const double others = (double)dx_choose_range(c, 1, 8), link = 1e7;
    const uint32_t least = (uint32_t)dx_choose_range(c, 1, 4), queue = (uint32_t)dx_choose_range(c, 25, 100);
    uint32_t loss_ppm = (uint32_t)dx_choose(c, 20000), sum = 0;
    control_begin(&t, least, 256, (uint32_t)dx_choose_range(c, 16, 64));
    t.k.yields = true;
    for (int n = 0; n < 200; n++) {
        control_path(&t, loss_ppm, queue + (uint32_t)dx_choose(c, 10));
        const double part = t.k.count / (t.k.count + others);
        const uint32_t count = control_step(&t, (uint64_t)(link * part * (1 + ((double)dx_choose(c, 20) - 10) / 1000)));
        if (n >= 100) sum += count;
    }
    const double fair = least > others ? least : others; /* more others than connections: each nearly has a limit */
    DX_CHECK(sum <= 100 * (1.5 * fair + 2));
}

/* Each connection has a limit and a queue of its own: half as many are opened as the link carries, or more. */
DX_PROPERTY(bm_control_finds_limits_of_connections_with_queues, 300)
{
    control t;
    const double link = (double)dx_choose_range(c, 32, 256);
    const uint32_t queue = (uint32_t)dx_choose_range(c, 25, 200);
    double last = 0;
    control_begin(&t, 2, 256, 16);
    t.k.yields = true;
    for (int n = 0; n < 100; n++) {
        control_path(&t, 0, queue);
        const double carried = t.k.count < link ? t.k.count : link;
        control_step(&t, (uint64_t)(carried * 1e6 * (1 + ((double)dx_choose(c, 20) - 10) / 1000)));
        if (n >= 80) last += carried / 20;
    }
    DX_CHECK(last >= 0.55 * link);
}

/* The limits change while it runs. */
DX_PROPERTY(bm_control_keeps_limits_that_change, 300)
{
    control t;
    control_begin(&t, 2, 256, (uint32_t)dx_choose_range(c, 2, 64));
    for (int n = 0; n < 60; n++) {
        t.k.yields = dx_choose(c, 1);
        t.k.count_min = (uint32_t)dx_choose_range(c, 1, 16);
        t.k.count_max = (uint32_t)dx_choose_range(c, 16, 256);
        control_path(&t, (uint32_t)dx_choose(c, 200000), (uint32_t)dx_choose(c, 100));
        const uint32_t was = t.k.count, count = control_step(&t, (uint64_t)dx_choose_range(c, 0, 10000000));
        DX_CHECK(count == was || (count >= t.k.count_min && count <= t.k.count_max));
    }
}

/* The others leave, and packets are lost at random: as many come back as the link needs. */
DX_PROPERTY(bm_control_comes_back_when_others_leave, 300)
{
    control t;
    const double link = (double)dx_choose_range(c, 8, 200), others = 4;
    double last = 0;
    control_begin(&t, 2, 256, 16);
    t.k.yields = true;
    for (int n = 0; n < 140; n++) {
        const bool alone = n >= 100;
        const double most = alone ? link : link * t.k.count / (t.k.count + others), carried = t.k.count < most ? t.k.count : most;
        control_path(&t, 10000, !alone ? 60 : t.k.count <= link ? 0 : (uint32_t)(80 * (t.k.count / link - 1)));
        control_step(&t, (uint64_t)(carried * 1e6));
        if (n >= 115) last += carried / 25;
    }
    DX_CHECK(last >= 0.9 * link);
}

/* More on a lossy path are kept, as a trial would close them again; but they stop when they gain nothing, and come back less and less often. */
DX_TEST(bm_control_grows_without_trials)
{
    control t;
    uint32_t last = 16;
    int steps = 0;
    control_begin(&t, 4, 256, 16);
    control_path(&t, 10000, 0);
    for (; last < 256 && steps < 20; steps++) {
        const uint32_t count = control_step(&t, last * UINT64_C(10000));
        DX_CHECK(count >= last);
        last = count;
    }
    DX_CHECK_EQ(last, 256);
    DX_CHECK(steps <= 5); /* each interval is faster, and there is no queue: none has to settle */
    control_begin(&t, 4, 256, 16);
    control_path(&t, 10000, 10);
    for (steps = 0; t.k.count < 256 && steps < 30; steps++) control_step(&t, t.k.count * UINT64_C(10000));
    DX_CHECK(steps >= 13 && steps <= 15); /* the link begins to fill: half as many more, after they settled */
    control_begin(&t, 4, 256, 16);
    control_path(&t, 10000, 0);
    for (int n = 0; n < 4; n++) last = control_step(&t, 1000000); /* the next would be tried after the pause */
    DX_CHECK_EQ(last, 32);
}

/* The link is shared with somebody else's connections: its queue fills, overflows and drains, and the share rises and falls with it. The losses are
   those of the queue, also where it is empty when they are counted: no reason for more connections. Where far more is lost
   than a queue loses, a moment's queue means nothing. */
DX_TEST(bm_control_leaves_a_shared_link_to_others)
{
    for (uint32_t loss_ppm = 200; loss_ppm <= 10000; loss_ppm *= 50) {
        control t;
        uint32_t most = 16;
        control_begin(&t, 16, 256, 16);
        for (int n = 0; n < 60; n++) {
            static const uint32_t queue[6] = {90, 40, 5, 0, 10, 60};
            control_path(&t, loss_ppm, queue[n % 6]);
            const uint32_t count = control_step(&t, 5000000);
            if (count > most) most = count;
        }
        if (loss_ppm < 1000) DX_CHECK(most <= 32); /* a trial at most */
        else DX_CHECK(most >= 64);
    }
}

/* A lossy path on which more gain nothing, so a limit is shared: the pause before the next attempt has a limit, too, since a path that changes
   slowly is not noticed before it. One on which each carries a third as much is noticed at once, also in a long pause. */
DX_TEST(bm_control_pauses_on_a_lossy_path_have_a_limit)
{
    control t;
    uint32_t last = 1, same = 0, longest = 0, steps = 0;
    control_begin(&t, 1, 256, 1);
    control_path(&t, 10000, 15);
    for (int n = 0; n < 2000 && last < 256; n++) {
        const uint32_t count = control_step(&t, 1000000);
        same = count == last ? same + 1 : 0;
        if (longest < same) longest = same;
        last = count;
    }
    DX_CHECK_EQ(last, 256);
    DX_CHECK(longest >= 64 && longest <= 66);
    control_begin(&t, 4, 256, 4);
    control_path(&t, 10000, 15);
    for (int n = 0; n < 300 && t.k.pause_ < 32; n++) control_step(&t, 1000000);
    DX_CHECK(t.k.pause_ >= 31 && t.k.count < 128);
    last = t.k.count;
    for (; t.k.count == last && steps < 10; steps++) control_step(&t, 300000);
    DX_CHECK(steps <= 2);
}

/* While the rate rises by itself nothing is tried; when it does not any more, more are, as each connection may have a limit. */
DX_TEST(bm_control_waits_for_windows_that_grow)
{
    control t;
    uint64_t rate = 1000000;
    control_begin(&t, 4, 256, 16);
    control_path(&t, 0, 0);
    for (int n = 0; n < 20; n++, rate += rate / 4) DX_CHECK_EQ(control_step(&t, rate), 16);
    uint32_t count = 16;
    int steps = 0;
    for (; count == 16 && steps < 10; steps++) count = control_step(&t, rate);
    DX_CHECK_EQ(count, 32);
    DX_CHECK(steps <= 4);
}

/* A failed trial with fewer is followed by one with more, though there is a queue: after a change of the route it may be none. On a lossy
   path fewer are never tried. */
DX_TEST(bm_control_path_is_no_trap)
{
    control t;
    uint32_t most = 0, fewest = 256;
    control_begin(&t, 4, 256, 64);
    control_path(&t, 0, 90);
    for (int n = 0; n < 40; n++) {
        const uint32_t count = control_step(&t, t.k.count * UINT64_C(10000));
        if (most < count) most = count;
    }
    DX_CHECK_EQ(most, 256);
    most = 0;
    control_begin(&t, 4, 256, 4); /* the fewest already */
    control_path(&t, 0, 90);
    for (int n = 0; n < 40; n++) {
        const uint32_t count = control_step(&t, t.k.count * UINT64_C(10000));
        if (most < count) most = count;
    }
    DX_CHECK_EQ(most, 256);
    control_begin(&t, 4, 256, 64);
    control_path(&t, 10000, 0);
    for (int n = 0; n < 300; n++) {
        const uint32_t count = control_step(&t, 1000000);
        if (fewest > count) fewest = count;
    }
    DX_CHECK(fewest >= 64);
}

/* Lossy, 16 connections of the 200 that fill the link: 2 % of it are missing after 12 intervals of 0.4 s, and again after each of them carries
   a third as much, or three times as much. */
DX_PROPERTY(bm_control_settles_in_twelve_intervals, 300)
{
    dx_bulk_control k;
    const double link = (double)dx_choose_range(c, 20, 200);
    double each = 1, sum = 0;
    uint64_t now = T0, bytes = 0;
    memset(&k, 0, sizeof k);
    k.count_min = 4;
    k.count = 16;
    k.interval_ns = S * 2 / 5;
    for (int i = 0; i < 72; i++) {
        if (i == 24) each = 3;
        if (i == 48) each = 1;
        const double carried = each * dx_bulk_control_update(&k, bytes, now);
        const double rate = (carried < link ? carried : link) * (1 + ((double)dx_choose(c, 10) - 5) / 1000);
        k.has_path = true; /* of the interval that ends */
        k.loss_ppm = 10000;
        k.queue_percent = carried <= link ? 0 : carried >= 2 * link ? 80 : (uint32_t)(80 * (carried / link - 1));
        bytes += (uint64_t)(rate * 10000);
        now += k.interval_ns;
        if (i % 24 >= 12) sum += rate / 36;
    }
    DX_CHECK(sum >= 0.9 * link);
}

/* BBR: 16 connections already fill the link and its queue, and lose what does not fit into it. More are no faster, but the rate varies by up to
   a fifth from one interval to the next, so some trials gain by chance. Returns the most connections of the first 20 intervals. */
static uint32_t control_of_a_rate_that_varies(uint64_t *random, uint64_t varies, bool lossy, uint32_t *sum)
{
    dx_bulk_control k;
    uint64_t now = T0, bytes = 0;
    uint32_t most = 0;
    memset(&k, 0, sizeof k);
    k.count_min = 16;
    k.count = 16;
    k.interval_ns = S * 2 / 5;
    k.bears_loss = true;
    for (int i = 0; i < 300; i++) {
        const uint32_t count = dx_bulk_control_update(&k, bytes, now);
        const uint64_t rate = i < 2 ? 1600 : 4000; /* slow start */
        *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        bytes += rate * (1000 - varies + (*random >> 33) % (2 * varies + 1));
        now += k.interval_ns;
        k.has_path = true;
        k.loss_ppm = lossy ? 130000 : 0;
        k.queue_percent = i < 1 ? 30 : 97;
        if (i < 20 && most < count) most = count;
        *sum += count;
    }
    return most;
}

DX_TEST(bm_control_is_not_misled_by_a_rate_that_varies)
{
    uint64_t random = 1;
    for (int lossy = 0; lossy < 2; lossy++) {
        uint32_t misled = 0, sum = 0;
        for (uint64_t run = 0; run < 500; run++)
            misled += control_of_a_rate_that_varies(&random, 20 + run % 181, lossy, &sum) > 32;
        DX_CHECK(misled <= 5);
        DX_CHECK(sum / 500 <= 300 * 20);
    }
}

/* Each BBR connection has a limit of its own, with its own queue, and the rate varies: as many are opened as the link carries. */
DX_PROPERTY(bm_control_finds_limits_of_connections_though_the_rate_varies, 300)
{
    dx_bulk_control k;
    const double link = (double)dx_choose_range(c, 64, 256);
    const uint32_t varies = (uint32_t)dx_choose_range(c, 0, 100), queue = (uint32_t)dx_choose(c, 1) * 97;
    uint64_t now = T0, bytes = 0;
    double last = 0;
    memset(&k, 0, sizeof k);
    k.count_min = 16;
    k.count = 16;
    k.interval_ns = S * 2 / 5;
    k.bears_loss = true;
    for (int i = 0; i < 100; i++) {
        const double count = dx_bulk_control_update(&k, bytes, now);
        const double carried = (count < link ? count : link) * (1000 + (double)dx_choose(c, 2 * varies) - varies) / 1000;
        k.has_path = true;
        k.loss_ppm = 0;
        k.queue_percent = queue;
        bytes += (uint64_t)(carried * 1e6);
        now += k.interval_ns;
        if (i >= 80) last += (count < link ? count : link) / 20;
    }
    DX_CHECK(last >= 0.6 * link);
}

/* A late call measures a longer interval: bytes per second count, not bytes. */
DX_TEST(bm_control_measures_the_time_too)
{
    for (unsigned late = 1; late < 5; late++) {
        for (int better = 0; better < 2; better++) {
            control t;
            control_begin(&t, 4, 64, 16);
            DX_CHECK_EQ(control_step(&t, 1000000), 32);
            DX_CHECK_EQ(control_step(&t, 0), 32);
            t.now += late * S;
            t.bytes += late * (better ? UINT64_C(1100000) : 1000000);
            DX_CHECK_EQ(dx_bulk_control_update(&t.k, t.bytes, t.now), better ? 64 : 16);
        }
    }
}

/* After an improvement, it looks often again. */
DX_TEST(bm_control_looks_often_again_after_a_change)
{
    control t;
    uint32_t quiet = 0;
    control_begin(&t, 4, 256, 16);
    for (int n = 0; n < 1000; n++) control_step(&t, t.k.count == 16 ? 1000000 : 500000);
    for (int n = 0; n < 300 && t.k.count != 128; n++) /* now 64 are best: 32, 64, then a trial with 128 */
        control_step(&t, (t.k.count < 64 ? t.k.count : 64) * UINT64_C(100000));
    DX_CHECK_EQ(t.k.count, 128);
    while (t.k.count != 64) control_step(&t, 6400000);
    for (; t.k.count == 64 && quiet < 100; quiet++) control_step(&t, 6400000);
    DX_CHECK(quiet <= 4);
}

/* >>connections ---------------------------------------------------------- */
/* Half of an odd number is rounded up. */
DX_TEST(bm_half_of_the_connections)
{
    for (int open = 1; open <= 5; open++) {
        for (int silent = 0; silent <= open; silent++) {
            side x;
            uint32_t healthy = 99;
            int links[5];
            prepare(&x, 1000, 10);
            begin_sender(&x);
            for (int i = 0; i < open; i++) {
                links[i] = accepted(&x, T0);
                DX_CHECK(next_chunk(&x, links[i], T0) >= 0);
            }
            for (int i = silent; i < open; i++) have(&x, links[i], 0, 0, T0 + S);
            int want = (open - silent) * 2 >= open ? DX_BULK_OK : DX_BULK_EAGAIN;
            DX_CHECK_EQ(dx_bulk_health(&x.b, 1, T0 + 20 * S, &healthy), want);
            DX_CHECK_EQ(healthy, open - silent);
            DX_CHECK_EQ(dx_bulk_health(&x.b, 2 * (uint32_t)open, T0 + 20 * S, &healthy), want);
            DX_CHECK_EQ(dx_bulk_health(&x.b, 2 * (uint32_t)open + 1, T0 + 20 * S, &healthy), DX_BULK_EAGAIN);
            DX_CHECK_EQ(dx_bulk_health(&x.b, 1, T0 + 21 * S, &healthy), DX_BULK_EAGAIN); /* all were silent for a third */
            end(&x);
        }
    }
}

DX_TEST(bm_connections_that_are_not_there)
{
    static const int none[] = {-1, 1, 31, 32, INT32_MAX, INT32_MIN};
    for (int receiver = 0; receiver < 2; receiver++) {
        side x;
        uint8_t byte = 0;
        prepare(&x, 40, 10);
        if (receiver) begin_receiver(&x);
        else begin_sender(&x);
        DX_CHECK_EQ(dx_bulk_open(&x.b, T0), 0);
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
            DX_CHECK_EQ(dx_bulk_retire(&x.b, none[i]), DX_BULK_EINVAL);
            DX_CHECK_EQ(dx_bulk_drop(&x.b, none[i]), DX_BULK_EINVAL);
            DX_CHECK_EQ(next(&x, none[i], T0), DX_BULK_EINVAL);
            DX_CHECK_EQ(dx_bulk_feed(&x.b, none[i], &byte, 1, T0), DX_BULK_EINVAL);
        }
        DX_CHECK_EQ(dx_bulk_retire(&x.b, 0), receiver ? DX_BULK_EINVAL : 0);
        DX_CHECK_EQ(dx_bulk_next(&x.b, 0, T0, NULL), DX_BULK_EINVAL);
        end(&x);
    }
    DX_CHECK_EQ(dx_bulk_open(NULL, T0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_retire(NULL, 0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_drop(NULL, 0), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_verify(NULL, true), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_save(NULL, target, sizeof target), DX_BULK_EINVAL);
    DX_CHECK_EQ(dx_bulk_load(NULL, none, sizeof none), DX_BULK_EINVAL);
}
