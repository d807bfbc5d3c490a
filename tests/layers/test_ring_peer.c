/* dx_ring.h with a hostile peer (tests/dx_peer_sim.h), which changes any word of a ring at any time. */
#define DX_TEST_MAIN
#include "../dx_peer_sim.h"
#define DX_IMPLEMENTATION
#include "../../layers/dx_ring.h"

typedef struct shape {
    uint32_t record_size, capacity;
} shape;
static const shape shapes[] = {{0, 64}, {0, 256}, {0, 4096}, {16, 4}, {64, 1}, {64, 8}, {192, 2}};

static uint8_t *share_ring(const shape *s)
{
    static uint8_t memory[ROOM + 384] __attribute__((aligned(64)));
    dx_ring_desc desc;
    size_t size;
    desc.record_size = s->record_size;
    desc.capacity = s->capacity;
    size = dx_ring_memory_size(&desc);
    DX_CHECK(size % 64 == 0 && size <= ROOM);
    DX_CHECK_EQ(dx_ring_init(memory, size, &desc), 0);
    return peer_share(memory, size);
}

static size_t ring_size(void) { return (size_t)(peer.end - peer.bytes); }

/* Check that it is inside the ring's records, and usable to the last byte. */
static void check_place(uint32_t record_size, const void *where, size_t size)
{
    const uint8_t *p = where;
    DX_CHECK(p >= peer.bytes + 384 && p <= peer.end && size <= (size_t)(peer.end - p));
    if (record_size == 0) DX_CHECK_EQ((uintptr_t)p % 8, 0);
    sink = sum_bytes(p, size);
}

/* One call. The shape is that at attach time: the peer may have changed it before. */
static void consume(dx_choices *c, dx_ring_consumer *r)
{
    const size_t capacity = (size_t)peer_below(peer_below(2) ? 80 : 8000);
    uint8_t *out = malloc(capacity + 1);
    const void *where;
    size_t size = 0;
    switch (dx_choose(c, 3)) {
    case 0:
        if (dx_ring_pop(r, out, capacity, &size) == 0) DX_CHECK(size <= capacity);
        break;
    case 1:
        if (dx_ring_peek(r, &where, &size)) break;
        check_place(r->record_size_, where, size);
        DX_CHECK_EQ(dx_ring_release(r), 0);
        break;
    case 2:
        if (r->record_size_ == 0) break;
        if (dx_ring_pop_many(r, out, capacity / r->record_size_, &size) == 0)
            DX_CHECK(size <= capacity / r->record_size_);
        break;
    default: dx_ring_attach_consumer(r, peer.bytes, ring_size()); break;
    }
    free(out);
}

static void produce(dx_choices *c, dx_ring_producer *r)
{
    static const uint8_t bytes[3 * ROOM] = {7};
    const size_t size = r->record_size_ ? r->record_size_ : peer_below(r->capacity_ % 4096 + 1);
    void *where;
    size_t done;
    bool replaced;
    switch (dx_choose(c, 3)) {
    case 0: dx_ring_push(r, bytes, size); break;
    case 1:
        if (dx_ring_claim(r, size, &where)) break;
        check_place(r->record_size_, where, size);
        memset(where, 8, size);
        /* A failed call in between leaves the claim; a successful one replaces it. */
        replaced = r->record_size_ && dx_choose(c, 1) && dx_ring_push_many(r, bytes, 3, &done) == 0;
        DX_CHECK_EQ(dx_ring_commit(r), replaced ? DX_RING_EINVAL : DX_RING_OK);
        break;
    case 2:
        if (r->record_size_ == 0) break;
        if (dx_ring_push_many(r, bytes, 3, &done) == 0) DX_CHECK(done <= 3);
        break;
    default: dx_ring_attach_producer(r, peer.bytes, ring_size()); break;
    }
}

DX_PROPERTY(rb_5_a_peer_writes_any_word_of_a_ring_at_any_time, 20000)
{
    const shape *s = &shapes[dx_choose(c, 6)];
    dx_ring_producer p;
    dx_ring_consumer r;
    peer_begin_run(c, true);
    share_ring(s);
    peer_begin(false);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, peer.bytes, ring_size()), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r, peer.bytes, ring_size()), 0);
    peer.armed = true;
    for (uint64_t n = dx_choose(c, 60); n; n--) {
        if (dx_choose(c, 1)) produce(c, &p);
        else consume(c, &r);
        if (peer_below(256) < peer.mischief) peer_scribble(peer_below((uint32_t)ring_size()), 1);
    }
    peer_end();
}

/* Any bytes as a ring, of any length, at any alignment. */
DX_PROPERTY(rb_5_any_bytes_are_attached_to, 20000)
{
    const shape *s = &shapes[dx_choose(c, 6)];
    uint32_t word = 0;
    const size_t shift = dx_choose(c, 7) ? 0 : (size_t)dx_choose(c, 63);
    size_t size;
    dx_ring_producer p;
    dx_ring_consumer r;
    int error;
    peer_begin_run(c, true);
    share_ring(s);
    peer_begin(false);
    for (size_t at = 0; at < 12; at++)
        if (dx_choose(c, 15) == 15) peer_scribble(at, 1);
    for (size_t at = 128; at <= 256; at += 128) { /* the indices, close to each other */
        word += (uint32_t)dx_choose(c, 1) ? 8 * (uint32_t)dx_choose(c, 12) : (uint32_t)dx_choose(c, 20);
        memcpy(peer.bytes + 384 - at, &word, 4);
    }
    for (size_t at = 384; at + 8 <= ring_size() && at < 512; at += 8)
        if (dx_choose(c, 1)) peer_scribble(at, 1);
    size = ring_size() - (dx_choose(c, 3) ? 0 : (size_t)dx_choose(c, ring_size()));
    if (size < shift) return;
    for (int side = 0; side < 2; side++) {
        error = side ? dx_ring_attach_producer(&p, peer.bytes + shift, size - shift)
                     : dx_ring_attach_consumer(&r, peer.bytes + shift, size - shift);
        if (shift) DX_CHECK_EQ(error, DX_RING_EINVAL);
        if (error) continue;
        for (int i = 0; i < 20; i++) {
            if (side) produce(c, &p);
            else consume(c, &r);
        }
    }
}

/* Every pair of close indices: accepted if a ring can have them, and by both ends alike. */
DX_TEST(rb_5_indices_that_no_ring_can_have_are_refused_at_attach)
{
    static const uint32_t starts[] = {0, 64, 4096, 0x80000000, 0xffffffc0};
    for (size_t k = 0; k < 2; k++) {
        const shape *s = &shapes[k ? 3 : 0];
        peer.ring = true;
        share_ring(s);
        peer_begin(false);
        for (size_t i = 0; i < 5; i++)
            for (uint32_t a = 0; a < 90; a++)
                for (uint32_t b = 0; b < 90; b++) {
                    const uint32_t write = starts[i] + a, read = starts[i] + b - 20;
                    const bool good = write - read <= s->capacity &&
                                      (s->record_size || (write % 8 == 0 && read % 8 == 0));
                    const int expected = good ? DX_RING_OK : DX_RING_ECORRUPT;
                    dx_ring_producer p;
                    dx_ring_consumer r;
                    memcpy(peer.bytes + 128, &write, 4);
                    memcpy(peer.bytes + 256, &read, 4);
                    DX_CHECK_EQ((unsigned)dx_ring_attach_producer(&p, peer.bytes, ring_size()),
                                (unsigned)expected);
                    DX_CHECK_EQ((unsigned)dx_ring_attach_consumer(&r, peer.bytes, ring_size()),
                                (unsigned)expected);
                }
    }
}

/* After attach, the reader index moves to where none can be. */
DX_TEST(rb_5_a_producer_refuses_a_read_index_between_two_places)
{
    const shape s = {0, 64};
    const uint32_t between = 4;
    dx_ring_producer p;
    peer.ring = true;
    share_ring(&s);
    peer_begin(false);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, peer.bytes, ring_size()), 0);
    DX_CHECK_EQ(dx_ring_push(&p, "123456789012345678901234", 24), 0);
    DX_CHECK_EQ(dx_ring_push(&p, "123456789012345678901234", 24), 0);
    memcpy(peer.bytes + 256, &between, 4);
    DX_CHECK_EQ((unsigned)dx_ring_push(&p, "", 0), (unsigned)DX_RING_ECORRUPT);
}

DX_TEST(rb_5_the_peer_was_busy)
{
    if (getenv("DX_TEST_RUNS")) printf("     %llu calls, %llu faults\n", (unsigned long long)calls_all,
                                       (unsigned long long)faults_all);
    DX_CHECK(calls_all == 0 || faults_all > calls_all / 8);
}
