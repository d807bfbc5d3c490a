/* dx_ring.h: descriptions, order, batches, restart, damage, threads; records of dx_teleport.h in place. */
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"
#include "../../layers/dx_ring.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <pthread.h>
#include <sched.h>

typedef struct ring {
    void  *memory;
    size_t size;
    dx_ring_producer p;
    dx_ring_consumer c;
} ring;

static ring make_ring(uint32_t record_size, uint32_t capacity)
{
    ring r;
    const dx_ring_desc desc = {record_size, capacity};
    memset(&r, 0, sizeof r);
    r.size = dx_ring_memory_size(&desc);
    DX_CHECK(r.size > 0);
    r.memory = aligned_alloc(64, (r.size + 63) / 64 * 64);
    DX_CHECK_EQ(dx_ring_init(r.memory, r.size, &desc), 0);
    DX_CHECK_EQ(dx_ring_attach_producer(&r.p, r.memory, r.size), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
    return r;
}

static void set_indices(ring *r, uint32_t write, uint32_t read)
{
    memcpy((uint8_t *)r->memory + 128, &write, 4);
    memcpy((uint8_t *)r->memory + 256, &read, 4);
}

DX_TEST(rb_4_fixed_ring_is_full_and_empty)
{
    ring r = make_ring(16, 4);
    uint32_t op[4] = {0}, out[4];
    size_t size;
    for (uint32_t turn = 0; turn < 5; turn++) {
        DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_EAGAIN);
        for (uint32_t i = 0; i < 4; i++) {
            op[0] = turn * 10 + i;
            DX_CHECK_EQ(dx_ring_push(&r.p, op, sizeof op), 0);
        }
        DX_CHECK_EQ(dx_ring_push(&r.p, op, sizeof op), DX_RING_EAGAIN);
        for (uint32_t i = 0; i < 4; i++) {
            DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
            DX_CHECK_EQ(size, 16);
            DX_CHECK_EQ(out[0], turn * 10 + i);
        }
    }
    DX_CHECK_EQ(dx_ring_push(&r.p, op, 15), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push(&r.p, NULL, 16), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_commit(&r.p), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_release(&r.c), DX_RING_EINVAL);
    free(r.memory);
}

/* Operations on a document as records of 16 bytes, written and read in place in the ring. The three formerly reserved bytes
   after the opcode hold the length of an attribute's value. */
enum { CLONE = 1, UPDATE_TEXT, UPDATE_ATTR, REMOVE, OPCODES };
#define RENDER_OP(F, S, A, L, E, ...) \
    E(u8, opcode, 5) F(u8, attribute) F(u16, length) F(u32, target) F(u32, place) F(u32, more)
DX_TELEPORT_DEFINE(render_op, RENDER_OP)

DX_TEST(rb_2_render_ops_are_records_of_16_bytes)
{
    ring r = make_ring(render_op_record_size, 8);
    const void *seen;
    void *room;
    size_t size;
    DX_CHECK_EQ(render_op_record_size, 16);
    DX_CHECK_EQ(render_op_offset_target, 4);
    for (unsigned op = CLONE; op < OPCODES; op++) {
        render_op_writer w;
        DX_CHECK_EQ(dx_ring_claim(&r.p, render_op_record_size, &room), 0);
        DX_CHECK_EQ(render_op_begin(&w, room, render_op_record_size, DX_TELEPORT_BARE), 0);
        render_op_set_opcode(&w, (uint8_t)op);
        render_op_set_target(&w, 1000 + op);
        if (op != REMOVE) render_op_set_place(&w, 77);
        if (op == UPDATE_TEXT) render_op_set_more(&w, 5);
        if (op == UPDATE_ATTR) render_op_set_length(&w, 300);
        DX_CHECK_EQ(render_op_finish(&w, &size), 0);
        DX_CHECK_EQ(size, 16);
        DX_CHECK_EQ(dx_ring_commit(&r.p), 0);
    }
    for (unsigned op = CLONE; op < OPCODES; op++) {
        render_op_view v;
        DX_CHECK_EQ(dx_ring_peek(&r.c, &seen, &size), 0);
        DX_CHECK_EQ(render_op_open_bare(&v, seen, size, 0), 0);
        DX_CHECK_EQ(render_op_get_opcode(&v), op);
        DX_CHECK_EQ(render_op_get_target(&v), 1000 + op);
        DX_CHECK_EQ(render_op_get_place(&v), op != REMOVE ? 77 : 0);
        DX_CHECK_EQ(render_op_get_length(&v), op == UPDATE_ATTR ? 300 : 0);
        DX_CHECK_EQ(dx_ring_release(&r.c), 0);
    }
    free(r.memory);
}

DX_TEST(rb_3_an_unknown_opcode_is_refused)
{
    uint8_t op[16] = {0};
    render_op_view v;
    for (unsigned i = 0; i < 256; i++) {
        op[0] = (uint8_t)i;
        DX_CHECK_EQ(render_op_open_bare(&v, op, 16, 0), i < OPCODES ? 0 : DX_TELEPORT_EENUM);
    }
}

DX_TEST(rb_1_descriptions_and_memory)
{
    static _Alignas(64) uint8_t memory[1024];
    dx_ring_desc d = {16, 4};
    dx_ring_producer p;
    dx_ring_consumer c2;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 384 + 64);
    DX_CHECK_EQ(dx_ring_init(memory, 447, &d), DX_RING_ENOMEM);
    DX_CHECK_EQ(dx_ring_init(memory + 1, 900, &d), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, memory, 448), DX_RING_ECORRUPT);
    DX_CHECK_EQ(dx_ring_init(memory, 448, &d), 0);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, memory, 447), DX_RING_ENOMEM);
    DX_CHECK_EQ(dx_ring_attach_consumer(&c2, memory, 100), DX_RING_ENOMEM);
    DX_CHECK_EQ(dx_ring_attach_consumer(&c2, NULL, 100), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push(&(dx_ring_producer){0}, "x", 1), DX_RING_EINVAL);
    memory[8] = 3; /* capacity */
    DX_CHECK_EQ(dx_ring_attach_consumer(&c2, memory, 448), DX_RING_ECORRUPT);
    memory[8] = 4;
    memory[128] = 5; /* five records in a ring of four */
    DX_CHECK_EQ(dx_ring_attach_producer(&p, memory, 448), DX_RING_ECORRUPT);
    DX_CHECK_EQ(dx_ring_attach_consumer(&c2, memory, 448), DX_RING_ECORRUPT);
    d.capacity = 3;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 0);
    DX_CHECK_EQ(dx_ring_init(memory, sizeof memory, &d), DX_RING_EINVAL);
    d.capacity = 1u << 31;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 0);
    d.record_size = 0;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 0);
    d.capacity = 32;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 0);
    d.capacity = 0;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 384 + 65536);
    d.record_size = 2;
    DX_CHECK_EQ(dx_ring_memory_size(&d), 384 + 2048);
    DX_CHECK_EQ(dx_ring_memory_size(NULL), 0);
}

/* Against a plain queue; the indices start just before they wrap. */
DX_PROPERTY(rb_4_any_order_of_pushes_and_pops, 2000)
{
    const bool fixed = dx_choose(c, 1);
    ring r = fixed ? make_ring(5, 8) : make_ring(0, 128);
    uint8_t queue[64][64], out[64];
    size_t sizes[64], head = 0, tail = 0;
    const uint32_t start = 0u - (uint32_t)dx_choose(c, 10) * 8;
    set_indices(&r, start, start);
    DX_CHECK_EQ(dx_ring_attach_producer(&r.p, r.memory, r.size), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
    for (uint64_t n = dx_choose(c, 60); n; n--) {
        const uint64_t what = dx_choose(c, 5);
        if (what <= 2) {
            uint8_t *slot = queue[tail % 64];
            const size_t size = fixed ? 5 : (size_t)dx_choose(c, 56);
            dx_choose_bytes(c, slot, size);
            const int error = dx_ring_push(&r.p, slot, size);
            if (fixed) DX_CHECK_EQ(error, tail - head == 8 ? DX_RING_EAGAIN : 0);
            DX_CHECK(error == 0 || error == DX_RING_EAGAIN);
            if (tail == head) DX_CHECK_EQ(error, 0); /* any record of valid size fits into an empty ring */
            if (!error) sizes[tail++ % 64] = size;
        } else if (what <= 4) {
            size_t size = 99;
            const int error = dx_ring_pop(&r.c, out, sizeof out, &size);
            DX_CHECK_EQ(error, head == tail ? DX_RING_EAGAIN : 0);
            if (error) continue;
            DX_CHECK_EQ(size, sizes[head % 64]);
            DX_CHECK_MEM(out, queue[head % 64], size);
            head++;
        } else { /* either side detaches and reattaches */
            DX_CHECK_EQ(dx_ring_attach_producer(&r.p, r.memory, r.size), 0);
            DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
        }
    }
    free(r.memory);
}

/* In batches of any size, between single records, around the end of the ring: the same stream. */
DX_PROPERTY(rb_4_batches_are_the_same_stream, 2000)
{
    const uint32_t capacity = 1u << dx_choose(c, 5);
    ring r = make_ring(12, capacity);
    uint32_t in[48][3], out[48][3], sent = 0, got = 0;
    if (dx_choose(c, 1)) {
        set_indices(&r, 0xfffffffeu, 0xfffffffeu); /* the indices wrap */
        dx_ring_attach_producer(&r.p, r.memory, r.size);
        dx_ring_attach_consumer(&r.c, r.memory, r.size);
    }
    for (uint64_t turns = dx_choose(c, 20); turns; turns--) {
        const uint32_t want = (uint32_t)dx_choose(c, 40), room = capacity - (sent - got);
        size_t done = 99;
        int error;
        for (uint32_t i = 0; i < want; i++) in[i][0] = in[i][1] = in[i][2] = sent + i;
        error = dx_ring_push_many(&r.p, in, want, &done);
        DX_CHECK_EQ(done, want < room ? want : room);
        DX_CHECK_EQ(error, want && !room ? DX_RING_EAGAIN : 0);
        sent += (uint32_t)done;
        if (dx_choose(c, 1) && sent - got < capacity) {
            in[0][0] = in[0][1] = in[0][2] = sent++;
            DX_CHECK_EQ(dx_ring_push(&r.p, in[0], 12), 0);
        }
        const uint32_t most = (uint32_t)dx_choose(c, 40);
        error = dx_ring_pop_many(&r.c, out, most, &done);
        DX_CHECK(done <= most && done <= sent - got && (done || !most || sent == got));
        DX_CHECK_EQ(error, sent == got ? DX_RING_EAGAIN : 0);
        for (size_t i = 0; i < done; i++, got++)
            DX_CHECK(out[i][0] == got && out[i][1] == got && out[i][2] == got);
    }
    free(r.memory);
}

DX_TEST(rb_4_batches_break_no_rule)
{
    ring r = make_ring(16, 4), v = make_ring(0, 64);
    uint32_t op[4] = {0};
    size_t done;
    DX_CHECK_EQ(dx_ring_push_many(&v.p, op, 1, &done), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_pop_many(&v.c, op, 1, &done), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push_many(&r.p, NULL, 1, &done), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push_many(&r.p, op, 1, NULL), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_pop_many(&r.c, NULL, 1, &done), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_pop_many(&r.c, op, 1, NULL), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push_many(&r.p, op, 1, &done), 0);
    set_indices(&r, 9, 0); /* nine records in a ring of four */
    DX_CHECK_EQ(dx_ring_pop_many(&r.c, op, 1, &done), DX_RING_ECORRUPT);
    set_indices(&r, 9, 3);
    DX_CHECK_EQ(dx_ring_push_many(&r.p, op, SIZE_MAX, &done), DX_RING_ECORRUPT);
    DX_CHECK_EQ(done, 0);
    free(r.memory);
    free(v.memory);
}

DX_TEST(rb_6_restart_sees_what_was_not_released)
{
    ring r = make_ring(0, 256);
    const void *where;
    void *room;
    size_t size;
    DX_CHECK_EQ(dx_ring_push(&r.p, "one", 3), 0);
    DX_CHECK_EQ(dx_ring_claim(&r.p, 3, &room), 0);
    memcpy(room, "two", 3); /* never committed */
    DX_CHECK_EQ(dx_ring_attach_producer(&r.p, r.memory, r.size), 0);
    DX_CHECK_EQ(dx_ring_push(&r.p, "three", 5), 0);
    DX_CHECK_EQ(dx_ring_peek(&r.c, &where, &size), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0); /* peeked, not released */
    DX_CHECK_EQ(dx_ring_peek(&r.c, &where, &size), 0);
    DX_CHECK_EQ(size, 3);
    DX_CHECK_MEM(where, "one", 3);
    DX_CHECK_EQ(dx_ring_release(&r.c), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
    DX_CHECK_EQ(dx_ring_peek(&r.c, &where, &size), 0);
    DX_CHECK_EQ(size, 5);
    DX_CHECK_EQ(dx_ring_pop(&r.c, NULL, 0, &size), DX_RING_ENOSPACE);
    DX_CHECK_EQ(size, 5);
    DX_CHECK_EQ(dx_ring_push(&r.p, "x", 121), DX_RING_ETOOBIG);
    free(r.memory);
}

DX_TEST(rb_5_consumer_believes_nothing)
{
    static const uint32_t bad[] = {9, 17, 121, 0x7fffffff, 0xfffffff8, 0xffffffff};
    uint8_t out[256];
    size_t size;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ring r = make_ring(0, 256);
        DX_CHECK_EQ(dx_ring_push(&r.p, "12345678", 8), 0);
        memcpy((uint8_t *)r.memory + 384, &bad[i], 4);
        DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_ECORRUPT);
        free(r.memory);
    }
    ring r = make_ring(0, 256);
    set_indices(&r, 300 / 8 * 8, 0);
    DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_ECORRUPT);
    set_indices(&r, 4, 0);
    DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_ECORRUPT);
    free(r.memory);
    r = make_ring(16, 4);
    for (int i = 0; i < 4; i++) DX_CHECK_EQ(dx_ring_push(&r.p, out, 16), 0);
    set_indices(&r, 4, 100); /* the reader is ahead of the writer */
    DX_CHECK_EQ(dx_ring_push(&r.p, out, 16), DX_RING_ECORRUPT);
    free(r.memory);
}

/* Space that the reader has released stays the producer's: a reader index that moves back is refused, and a claim can still
   be committed. */
DX_TEST(rb_5_a_reader_that_goes_back_is_refused)
{
    const uint8_t record[16] = "sixteen bytes...";
    uint8_t records[64] = {0};
    uint8_t out[64];
    size_t size, done;
    void *where;
    for (uint32_t back = 1; back <= 3; back++) {
        ring r = make_ring(16, 4);
        for (int i = 0; i < 4; i++) DX_CHECK_EQ(dx_ring_push(&r.p, records, 16), 0);
        for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
        DX_CHECK_EQ(dx_ring_claim(&r.p, 16, &where), 0);
        memcpy(where, record, 16);
        set_indices(&r, 4, 3 - back);
        DX_CHECK_EQ(dx_ring_push_many(&r.p, records, 4, &done), DX_RING_ECORRUPT);
        DX_CHECK_EQ(done, 0);
        DX_CHECK_EQ(dx_ring_commit(&r.p), 0);
        set_indices(&r, 5, 3); /* restored: the same producer continues */
        DX_CHECK_EQ(dx_ring_push_many(&r.p, records, 4, &done), 0);
        DX_CHECK_EQ(done, 2);
        for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
        DX_CHECK_MEM(out, record, 16);
        free(r.memory);
        r = make_ring(0, 64);
        for (int i = 0; i < 4; i++) DX_CHECK_EQ(dx_ring_push(&r.p, records, 8), 0);
        for (int i = 0; i < 3; i++) DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
        for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_ring_push(&r.p, records, 8), 0);
        set_indices(&r, 96, 48 - 8 * back);
        DX_CHECK_EQ(dx_ring_push(&r.p, records, 24), DX_RING_ECORRUPT);
        set_indices(&r, 96, 48);
        DX_CHECK_EQ(dx_ring_push(&r.p, records, 24), DX_RING_EAGAIN);
        free(r.memory);
    }
}

DX_TEST(rb_4_variable_ring_uses_its_last_byte)
{
    ring r = make_ring(0, 64);
    uint8_t out[64];
    size_t size;
    const uint32_t skip = UINT32_MAX;
    DX_CHECK_EQ(dx_ring_push(&r.p, "123456789012345678901234", 24), 0);
    DX_CHECK_EQ(dx_ring_push(&r.p, "123456789012345678901234", 24), 0);
    DX_CHECK_EQ(dx_ring_push(&r.p, "", 0), DX_RING_EAGAIN);
    DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
    DX_CHECK_EQ(dx_ring_push(&r.p, "123456789012345678901234", 24), 0);
    free(r.memory);
    r = make_ring(0, 64); /* a skip with no record after it */
    set_indices(&r, 64, 56);
    memcpy((uint8_t *)r.memory + 384 + 56, &skip, 4);
    DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
    DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_ECORRUPT);
    free(r.memory);
}

/* The words of docs/formats/ring.md, section 3, whatever was there before. */
DX_TEST(rb_4_a_prefix_is_the_size_and_0)
{
    ring r = make_ring(0, 64);
    uint8_t *records = (uint8_t *)r.memory + 384;
    uint32_t words[2];
    char out[24];
    size_t size;
    memset(records, 0xee, 64);
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t length = i % 3 * 7 + 3; /* 16, 24 or 32 bytes with the prefix */
        DX_CHECK_EQ(dx_ring_push(&r.p, "seventeen bytes, yes...", length), 0);
        memcpy(words, records + (r.p.write_ - (8 + (length + 7) / 8 * 8)) % 64, 8);
        DX_CHECK_EQ(words[0], length);
        DX_CHECK_EQ(words[1], 0);
        DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), 0);
        DX_CHECK_EQ(size, length);
        memset(records, 0xee, 64);
    }
    free(r.memory);
}

/* Any bytes as prefixes, any indices: no access outside of the ring. */
DX_PROPERTY(rb_5_arbitrary_ring_bytes, 1500)
{
    ring r = make_ring(0, 64);
    uint8_t out[64];
    size_t size;
    for (size_t i = 0; i < 64; i += 8) {
        static const uint32_t edge[] = {0, 1, 8, 16, 24, 56, 0xffffffff, 0xfffffff9};
        const uint32_t n = edge[dx_choose(c, 7)];
        memcpy((uint8_t *)r.memory + 384 + i, &n, 4);
    }
    set_indices(&r, (uint32_t)dx_choose(c, 16) * 8, (uint32_t)dx_choose(c, 16) * 8);
    if (dx_ring_attach_consumer(&r.c, r.memory, r.size) == 0)
        for (int i = 0; i < 12; i++)
            if (dx_ring_pop(&r.c, out, sizeof out, &size)) break;
    free(r.memory);
}

enum { THREAD_RECORDS = 1000000, THREAD_TEXTS = 200000 };

static uint32_t text_size(uint32_t i) { return i * 2654435761u >> 26; }

static void *produce(void *user)
{
    ring *r = user;
    const bool fixed = r->p.record_size_ != 0;
    const uint32_t count = fixed ? THREAD_RECORDS : THREAD_TEXTS;
    for (uint32_t i = 0; i < count;) {
        uint32_t op[16];
        for (size_t k = 0; k < 16; k++) op[k] = i + (uint32_t)k * 7;
        if (dx_ring_push(&r->p, op, fixed ? 16 : text_size(i)) == 0) i++;
        else sched_yield();
    }
    return NULL;
}

static void consume(ring *r)
{
    const bool fixed = r->c.record_size_ != 0;
    const uint32_t count = fixed ? THREAD_RECORDS : THREAD_TEXTS;
    for (uint32_t i = 0; i < count;) {
        uint32_t op[16], expected[16];
        size_t size = 0;
        const int error = dx_ring_pop(&r->c, op, sizeof op, &size);
        if (error == DX_RING_EAGAIN) {
            sched_yield();
            continue;
        }
        DX_CHECK_EQ(error, 0);
        for (size_t k = 0; k < 16; k++) expected[k] = i + (uint32_t)k * 7;
        DX_CHECK_EQ(size, fixed ? 16 : text_size(i));
        DX_CHECK_MEM(op, expected, size);
        i++;
    }
}

DX_TEST(rb_4_two_threads_fixed_records)
{
    ring r = make_ring(16, 1024);
    pthread_t t;
    DX_CHECK_EQ(pthread_create(&t, NULL, produce, &r), 0);
    consume(&r);
    pthread_join(t, NULL);
    free(r.memory);
}

DX_TEST(rb_4_two_threads_variable_records)
{
    ring r = make_ring(0, 4096);
    pthread_t t;
    DX_CHECK_EQ(pthread_create(&t, NULL, produce, &r), 0);
    consume(&r);
    pthread_join(t, NULL);
    free(r.memory);
}

static void *produce_batches(void *user)
{
    ring *r = user;
    for (uint32_t i = 0; i < THREAD_RECORDS;) {
        uint32_t ops[32][4];
        const uint32_t left = THREAD_RECORDS - i, count = left < 1 + i % 32 ? left : 1 + i % 32;
        size_t done;
        for (uint32_t k = 0; k < count; k++)
            for (uint32_t n = 0; n < 4; n++) ops[k][n] = i + k + n * 7;
        if (dx_ring_push_many(&r->p, ops, count, &done)) sched_yield();
        i += (uint32_t)done;
    }
    return NULL;
}

DX_TEST(rb_4_two_threads_batches)
{
    ring r = make_ring(16, 64);
    pthread_t t;
    uint32_t got = 0, ops[20][4];
    DX_CHECK_EQ(pthread_create(&t, NULL, produce_batches, &r), 0);
    while (got < THREAD_RECORDS) {
        size_t done;
        const int error = dx_ring_pop_many(&r.c, ops, 20, &done);
        DX_CHECK(error == 0 || error == DX_RING_EAGAIN);
        if (error) sched_yield();
        for (size_t k = 0; k < done; k++, got++)
            for (uint32_t n = 0; n < 4; n++) DX_CHECK_EQ(ops[k][n], got + n * 7);
    }
    pthread_join(t, NULL);
    DX_CHECK_EQ(got, THREAD_RECORDS);
    free(r.memory);
}

static void count_call(void *user)
{
    ++*(int *)user;
}

DX_TEST(rb_4_the_other_end_can_be_woken)
{
    static _Alignas(64) uint8_t memory[384 + 64];
    dx_ring_desc desc = {8, 2};
    dx_ring_producer p;
    dx_ring_consumer e;
    uint64_t value = 1;
    size_t size;
    int pushed = 0, popped = 0;
    DX_CHECK_EQ(dx_ring_init(memory, sizeof memory, &desc), 0);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, memory, sizeof memory), 0);
    DX_CHECK_EQ(dx_ring_attach_consumer(&e, memory, sizeof memory), 0);
    DX_CHECK(!p.wake && !e.wake);
    p.wake = e.wake = count_call;
    p.wake_user = &pushed;
    e.wake_user = &popped;
    for (int i = 0; i < 3; i++) dx_ring_push(&p, &value, sizeof value);
    DX_CHECK_EQ(pushed, 2); /* not for the one that found no room */
    for (int i = 0; i < 3; i++) dx_ring_pop(&e, &value, sizeof value, &size);
    DX_CHECK_EQ(popped, 2);
}

DX_TEST(rb_4_a_record_that_does_not_fit_stays)
{
    static _Alignas(64) uint8_t memory[4096];
    dx_ring_desc desc = {0, 256};
    dx_ring_producer p;
    dx_ring_consumer reader;
    uint8_t out[32];
    size_t size = 0;
    DX_CHECK_EQ(dx_ring_init(memory, sizeof memory, &desc), DX_RING_OK);
    DX_CHECK_EQ(dx_ring_attach_producer(&p, memory, sizeof memory), DX_RING_OK);
    DX_CHECK_EQ(dx_ring_attach_consumer(&reader, memory, sizeof memory), DX_RING_OK);
    DX_CHECK_EQ(dx_ring_push(&p, "twenty bytes of text", 20), DX_RING_OK);
    DX_CHECK_EQ(dx_ring_pop(&reader, out, 19, &size), DX_RING_ENOSPACE);
    DX_CHECK_EQ(size, 20);
    DX_CHECK_EQ(dx_ring_release(&reader), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_pop(&reader, out, 20, &size), DX_RING_OK);
    DX_CHECK_MEM(out, "twenty bytes of text", 20);
}

/* A failed claim or peek leaves nothing that commit or release could complete, not even from the call before. */
DX_TEST(rb_4_a_failed_claim_or_peek_holds_nothing)
{
    ring r = make_ring(0, 64), f = make_ring(8, 1);
    const void *where;
    void *room;
    uint64_t value = 1;
    size_t size;
    DX_CHECK_EQ(dx_ring_peek(&r.c, &where, &size), DX_RING_EAGAIN);
    DX_CHECK_EQ(dx_ring_release(&r.c), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_claim(&r.p, 24, &room), 0);
    DX_CHECK_EQ(dx_ring_claim(&r.p, 25, &room), DX_RING_ETOOBIG);
    DX_CHECK_EQ(dx_ring_commit(&r.p), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_peek(&r.c, &where, &size), DX_RING_EAGAIN);
    DX_CHECK_EQ(dx_ring_claim(&f.p, 8, &room), 0);
    DX_CHECK_EQ(dx_ring_claim(&f.p, 7, &room), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_commit(&f.p), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_push(&f.p, &value, 8), 0);
    DX_CHECK_EQ(dx_ring_claim(&f.p, 8, &room), DX_RING_EAGAIN);
    DX_CHECK_EQ(dx_ring_commit(&f.p), DX_RING_EINVAL);
    DX_CHECK_EQ(dx_ring_peek(&f.c, &where, &size), 0);
    DX_CHECK_EQ(dx_ring_release(&f.c), 0);
    DX_CHECK_EQ(dx_ring_peek(&f.c, &where, &size), DX_RING_EAGAIN);
    DX_CHECK_EQ(dx_ring_release(&f.c), DX_RING_EINVAL);
    free(r.memory);
    free(f.memory);
}

/* The mark of a skipped end is refused if no record can follow it, at place 0, too. */
DX_TEST(rb_5_a_skip_without_a_record_is_refused)
{
    const uint32_t skip = UINT32_MAX;
    uint8_t out[64];
    size_t size;
    for (uint32_t at = 0; at < 64; at += 8) {
        ring r = make_ring(0, 64);
        set_indices(&r, 64, at);
        memcpy((uint8_t *)r.memory + 384 + at, &skip, 4);
        DX_CHECK_EQ(dx_ring_attach_consumer(&r.c, r.memory, r.size), 0);
        DX_CHECK_EQ(dx_ring_pop(&r.c, out, sizeof out, &size), DX_RING_ECORRUPT);
        free(r.memory);
    }
}
