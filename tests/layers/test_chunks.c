/* Tests of layers/dx_chunks.h. Names carry the requirement that they verify. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_chunks.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define DOC "docs/formats/chunks.md"
enum { BIG = 1 << 17 };

/* A copy in memory of exactly this size, so that a read beyond it is caught. The next call frees
   it. */
static uint8_t *exact(const void *bytes, size_t size)
{
    static uint8_t *kept;
    free(kept);
    kept = (uint8_t *)malloc(size ? size : 1);
    if (size) memcpy(kept, bytes, size);
    return size ? kept : kept + 1;
}

static dx_chunks_buffer buffer(void *memory, size_t capacity)
{
    dx_chunks_buffer b = {(uint8_t *)memory, 0, capacity};
    return b;
}

typedef struct chunk_log {
    uint8_t bytes[BIG]; /* type, size, body of each chunk */
    size_t  size, pieces, in_place;
    const uint8_t *input, *input_end;
    int     refuse;
} chunk_log;

static int keep_chunk(void *user, const dx_chunks_chunk *k)
{
    chunk_log *l = (chunk_log *)user;
    if (l->refuse) return l->refuse;
    DX_CHECK(k->data != NULL);
    l->bytes[l->size++] = k->type;
    for (int i = 0; i < 4; i++) l->bytes[l->size++] = (uint8_t)(k->size >> 8 * i);
    DX_CHECK(l->size + k->size <= sizeof l->bytes);
    memcpy(l->bytes + l->size, k->data, k->size);
    l->size += k->size;
    l->pieces++;
    if (k->data >= l->input && k->data < l->input_end) l->in_place++;
    return 0;
}

static uint8_t stream_memory[BIG];

static void start_reader(dx_chunks_reader *r, chunk_log *l, size_t memory)
{
    dx_chunks_reader_desc d;
    memset(&d, 0, sizeof d);
    memset(l, 0, sizeof *l);
    d.memory = stream_memory;
    d.memory_size = memory;
    d.on_chunk = keep_chunk;
    d.user = l;
    DX_CHECK_EQ(dx_chunks_reader_init(r, &d), 0);
}

static size_t raw_chunk(uint8_t *p, unsigned type, const void *body, uint32_t size)
{
    p[0] = (uint8_t)type;
    for (int i = 0; i < 4; i++) p[1 + i] = (uint8_t)(size >> 8 * i);
    if (size) memcpy(p + 5, body, size);
    return 5 + size;
}

static chunk_log clog_a, clog_b;

DX_TEST(sc_13_single_chunk)
{
    dx_chunks_reader r;
    uint8_t in[64];
    size_t n = raw_chunk(in, 0x02, "layout", 6);
    start_reader(&r, &clog_a, 64);
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n), 1);
    DX_CHECK_EQ(clog_a.size, n);
    DX_CHECK(!r.finished);
}

DX_TEST(sc_13_multiple_chunks)
{
    dx_chunks_reader r;
    uint8_t in[128];
    size_t n = raw_chunk(in, 0x02, "one", 3);
    n += raw_chunk(in + n, 0x03, "", 0);
    n += raw_chunk(in + n, 0x04, "three", 5);
    start_reader(&r, &clog_a, 64);
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n), 3);
    DX_CHECK_EQ(clog_a.size, n);
    DX_CHECK_MEM(clog_a.bytes, in, 5);
}

DX_TEST(sc_13_partial_chunks)
{
    dx_chunks_reader r;
    uint8_t in[64];
    size_t n = raw_chunk(in, 0x04, "0123456789", 10);
    for (size_t cut = 0; cut <= n; cut++) {
        start_reader(&r, &clog_a, 64);
        DX_CHECK_EQ(dx_chunks_feed(&r, exact(in, cut), cut), cut == n);
        DX_CHECK_EQ(dx_chunks_feed(&r, exact(in + cut, n - cut), n - cut), cut != n);
        DX_CHECK_EQ(clog_a.size, n);
    }
}

DX_TEST(sc_6_sc_13_finish_needs_no_further_input_and_is_not_counted)
{
    dx_chunks_reader r;
    uint8_t in[64];
    size_t n = raw_chunk(in, 0x04, "w", 1);
    n += raw_chunk(in + n, 0xff, "", 0);
    start_reader(&r, &clog_a, 64);
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n - 1), 1);
    DX_CHECK(!r.finished);
    DX_CHECK_EQ(dx_chunks_finish(&r), DX_CHUNKS_ETRUNCATED);
    DX_CHECK_EQ(dx_chunks_feed(&r, in + n - 1, 1), 0);
    DX_CHECK(r.finished);
    DX_CHECK_EQ(dx_chunks_finish(&r), 0);
    DX_CHECK_EQ(r.leftover, 0);
    DX_CHECK_EQ(dx_chunks_feed(&r, "more", 4), 0);
    DX_CHECK_EQ(dx_chunks_feed(&r, "again", 5), 0);
    DX_CHECK_EQ(r.leftover, 9);
    DX_CHECK_EQ(clog_a.pieces, 1);
}

DX_TEST(sc_13_empty_stream)
{
    dx_chunks_reader r;
    start_reader(&r, &clog_a, 64);
    DX_CHECK_EQ(dx_chunks_feed(&r, NULL, 0), 0);
    DX_CHECK_EQ(dx_chunks_feed(&r, "", 0), 0);
    DX_CHECK(!r.finished);
    DX_CHECK_EQ(dx_chunks_code_of_error(dx_chunks_finish(&r)), 11);
    DX_CHECK_EQ(dx_chunks_feed(&r, "\xff\0\0\0\0", 5), 0);
    DX_CHECK(r.finished);
}

DX_TEST(sc_13_large_binary)
{
    static uint8_t body[100000], in[BIG];
    for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 31);
    size_t n = raw_chunk(in, 0x04, body, sizeof body);
    dx_chunks_reader r;
    int64_t completed = 0;
    start_reader(&r, &clog_a, sizeof body);
    for (size_t at = 0; at < n; at += 1000)
        completed += dx_chunks_feed(&r, in + at, n - at < 1000 ? n - at : 1000);
    DX_CHECK_EQ(completed, 1);
    DX_CHECK_EQ(clog_a.size, n);
    DX_CHECK_MEM(clog_a.bytes + 5, body, sizeof body);
}

DX_TEST(sc_8_sc_13_dispatcher)
{
    dx_chunks_dispatcher d;
    dx_chunks_reader_desc rd;
    dx_chunks_reader r;
    uint8_t in[512];
    size_t n = dx_test_vector(DOC, "chunk-stream", in, sizeof in);
    for (size_t cut = 0; cut <= n; cut++) {
        memset(&d, 0, sizeof d);
        memset(&rd, 0, sizeof rd);
        memset(&clog_a, 0, sizeof clog_a);
        memset(&clog_b, 0, sizeof clog_b);
        for (int type = 1; type < 5; type++) d.on[type] = keep_chunk;
        d.user = &clog_a;
        rd.memory = stream_memory;
        rd.memory_size = 64;
        rd.on_chunk = dx_chunks_dispatch;
        rd.user = &d;
        DX_CHECK_EQ(dx_chunks_reader_init(&r, &rd), 0);
        int64_t done = dx_chunks_feed(&r, exact(in, cut), cut);
        done += dx_chunks_feed(&r, exact(in + cut, n - cut), n - cut);
        DX_CHECK_EQ(done, 4);
        DX_CHECK(r.finished);
        DX_CHECK(dx_chunks_is_complete(&d));
        DX_CHECK_EQ(dx_chunks_finish_dispatch(&d), 0);
        DX_CHECK_EQ(d.header.total_size, n);
        DX_CHECK_EQ(clog_a.size, n - 5);
        DX_CHECK_MEM(clog_a.bytes, in, n - 5);
    }
}

DX_TEST(w_13_the_header_carries_its_hash_whole_and_the_state_is_not_empty)
{
    dx_chunks_header h, back;
    uint8_t bytes[64], memory[256];
    dx_chunks_parts parts;
    dx_chunks_buffer out;
    memset(&parts, 0, sizeof parts);
    for (int i = 0; i < 32; i++) h.target_hash[i] = parts.target_hash[i] = (uint8_t)(255 - i);
    h.total_size = 0x1122334455667788u;
    dx_chunks_encode_header(bytes, &h);
    DX_CHECK_EQ(dx_chunks_decode_header(bytes, 64, &back), 0);
    DX_CHECK_MEM(back.target_hash, h.target_hash, 32);
    DX_CHECK(back.total_size == h.total_size);
    parts.state = "real state";
    parts.state_size = 10;
    out = buffer(memory, sizeof memory);
    DX_CHECK_EQ(dx_chunks_write_stream(&out, &parts), 0);
    DX_CHECK_MEM(memory + 5 + 16, h.target_hash, 32);
    DX_CHECK_MEM(memory + 69 + 5 + 5, "real state", 10);
}

DX_TEST(sc_3_header_refusals_every_bit)
{
    dx_chunks_header h, back;
    uint8_t good[64], bad[65];
    memset(&h, 0x5a, sizeof h);
    dx_chunks_encode_header(good, &h);
    for (size_t n = 0; n <= 65; n++) {
        memset(bad, 0, sizeof bad);
        memcpy(bad, good, n < 64 ? n : 64);
        DX_CHECK_EQ(dx_chunks_decode_header(exact(bad, n), n, &back),
                    n == 64 ? 0 : DX_CHUNKS_ETRUNCATED);
    }
    for (size_t bit = 0; bit < 512; bit++) {
        memcpy(bad, good, 64);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int error = dx_chunks_decode_header(bad, 64, &back);
        bool field = bit >= 64 && bit < 48 * 8;
        int want = field ? 0 : bit >= 32 && bit < 48 ? DX_CHUNKS_EVERSION : DX_CHUNKS_ECORRUPT;
        DX_CHECK_EQ(error, want);
        DX_CHECK_EQ(dx_chunks_code_of_error(error), field ? 0 : 1);
    }
}

DX_TEST(sc_2_sc_10_sc_12_what_a_reader_refuses)
{
    for (unsigned type = 0; type < 256; type++) {
        dx_chunks_reader r;
        uint8_t in[80], body[64] = {0};
        uint32_t size = type == 1 ? 64 : 0;
        bool exists = (type >= 1 && type <= 5) || type == 0xff;
        size_t n = raw_chunk(in, type, body, size);
        start_reader(&r, &clog_a, 64);
        int64_t got = dx_chunks_feed(&r, in, n);
        DX_CHECK_EQ(got, !exists ? DX_CHUNKS_ECHUNKTYPE : type == 0xff ? 0 : 1);
        if (exists) continue;
        DX_CHECK_EQ(dx_chunks_code_of_error((int)got), 2);
        DX_CHECK_EQ(dx_chunks_feed(&r, in, n), DX_CHUNKS_ECHUNKTYPE); /* errors are permanent */
        DX_CHECK_EQ(dx_chunks_finish(&r), DX_CHUNKS_ECHUNKTYPE);
    }
    static const uint32_t lengths[] = {0,  1,   63,  64,    65,          99,
                                       100, 101, 65536, 0x7fffffffu, 0xffffffffu};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (unsigned type = 1; type <= 6; type++)
            {
                dx_chunks_reader_desc d;
                dx_chunks_reader r;
                const unsigned t = type == 6 ? 0xff : type;
                uint8_t head[5] = {(uint8_t)t, (uint8_t)lengths[i], (uint8_t)(lengths[i] >> 8),
                                   (uint8_t)(lengths[i] >> 16), (uint8_t)(lengths[i] >> 24)};
                memset(&d, 0, sizeof d);
                d.memory = stream_memory;
                d.memory_size = 200;
                d.chunk_size_max = 100;
                DX_CHECK_EQ(dx_chunks_reader_init(&r, &d), 0);
                int64_t got = dx_chunks_feed(&r, exact(head, 5), 5);
                if (t == 1) DX_CHECK_EQ(got, lengths[i] == 64 ? 0 : DX_CHUNKS_ECHUNKHEAD);
                else if (t == 0xff) DX_CHECK_EQ(got, lengths[i] ? DX_CHUNKS_ECHUNKHEAD : 0);
                else if (lengths[i] > 100) DX_CHECK_EQ(got, DX_CHUNKS_ETOOBIG);
                else DX_CHECK_EQ(got, lengths[i] == 0);
            }
    DX_CHECK_EQ(dx_chunks_code_of_error(DX_CHUNKS_ECHUNKHEAD), 3);
    DX_CHECK_EQ(dx_chunks_code_of_error(DX_CHUNKS_ETOOBIG), 1);
}

DX_TEST(sc_10_reader_that_was_not_set_up)
{
    dx_chunks_reader r;
    dx_chunks_reader_desc d;
    const uint8_t *p = NULL;
    size_t size = 0;
    dx_chunks_chunk k;
    memset(&r, 0, sizeof r);
    memset(&d, 0, sizeof d);
    DX_CHECK_EQ(dx_chunks_code_of_error((int)dx_chunks_feed(&r, "", 0)), 10);
    DX_CHECK_EQ(dx_chunks_code_of_error(dx_chunks_next(&r, &p, &size, &k)), 10);
    DX_CHECK_EQ(dx_chunks_code_of_error(dx_chunks_finish(&r)), 10);
    DX_CHECK_EQ(dx_chunks_reader_init(&r, &d), DX_CHUNKS_EINVAL);
    d.memory = stream_memory;
    d.memory_size = 63;
    DX_CHECK_EQ(dx_chunks_reader_init(&r, &d), DX_CHUNKS_EINVAL);
    d.memory_size = 64;
    d.chunk_size_max = 65;
    DX_CHECK_EQ(dx_chunks_reader_init(&r, &d), DX_CHUNKS_EINVAL);
    d.chunk_size_max = 64;
    DX_CHECK_EQ(dx_chunks_reader_init(&r, &d), 0);
}

DX_TEST(w_12_sc_8_dispatcher_refuses_duplicates_disorder_and_gaps)
{
    static const struct { const char *types; int error, finish; } v[] = {
        {"1234", 0, 0},
        {"124", 0, 0},
        {"1245", 0, 0},
        {"15234", 0, 0},
        {"155", 0, DX_CHUNKS_ENOLAYOUT},
        {"1", 0, DX_CHUNKS_ENOLAYOUT},
        {"", 0, DX_CHUNKS_ENOLAYOUT},
        {"14", 0, DX_CHUNKS_ENOLAYOUT},
        {"12", 0, DX_CHUNKS_ETRUNCATED},
        {"123", 0, DX_CHUNKS_ETRUNCATED},
        {"11", DX_CHUNKS_EDUPLICATE, 0},
        {"122", DX_CHUNKS_EDUPLICATE, 0},
        {"1233", DX_CHUNKS_EDUPLICATE, 0},
        {"1244", DX_CHUNKS_EDUPLICATE, 0},
        {"2", DX_CHUNKS_EORDER, 0},
        {"5", DX_CHUNKS_EORDER, 0},
        {"132", DX_CHUNKS_EORDER, 0},
        {"142", DX_CHUNKS_EORDER, 0},
        {"143", DX_CHUNKS_EORDER, 0}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        dx_chunks_dispatcher d;
        dx_chunks_header h;
        uint8_t body[64];
        int error = 0;
        memset(&d, 0, sizeof d);
        memset(&h, 0, sizeof h);
        memset(&clog_a, 0, sizeof clog_a);
        d.on[DX_CHUNKS_PATCH] = keep_chunk;
        d.user = &clog_a;
        dx_chunks_encode_header(body, &h);
        for (const char *t = v[i].types; *t && !error; t++) {
            dx_chunks_chunk k;
            memset(&k, 0, sizeof k);
            k.type = (uint8_t)(*t - '0');
            k.data = body;
            k.size = k.type == 1 ? 64 : 3;
            error = dx_chunks_dispatch(&d, &k);
        }
        DX_CHECK_EQ(error, v[i].error);
        if (!error) DX_CHECK_EQ(dx_chunks_finish_dispatch(&d), v[i].finish);
    }
    DX_CHECK_EQ(dx_chunks_code_of_error(DX_CHUNKS_ENOLAYOUT), 12);
    DX_CHECK_EQ(dx_chunks_code_of_error(DX_CHUNKS_EDUPLICATE), 2);
    DX_CHECK_EQ(dx_chunks_code_of_error(DX_CHUNKS_EORDER), 1);
}

DX_TEST(sc_10_patch_without_a_handler_and_wrong_total)
{
    dx_chunks_dispatcher d;
    dx_chunks_header h;
    dx_chunks_chunk k;
    uint8_t body[64];
    memset(&d, 0, sizeof d);
    memset(&h, 0, sizeof h);
    memset(&k, 0, sizeof k);
    h.total_size = 69 + 8 + 8 + 5;
    dx_chunks_encode_header(body, &h);
    k.type = 1;
    k.data = body;
    k.size = 64;
    DX_CHECK_EQ(dx_chunks_dispatch(&d, &k), 0);
    k.type = 5;
    DX_CHECK_EQ(dx_chunks_code_of_error(dx_chunks_dispatch(&d, &k)), 4);
    k.type = 2;
    k.size = 3;
    DX_CHECK_EQ(dx_chunks_dispatch(&d, &k), 0);
    k.type = 4;
    DX_CHECK_EQ(dx_chunks_dispatch(&d, &k), 0);
    DX_CHECK_EQ(dx_chunks_finish_dispatch(&d), 0);
    for (uint64_t wrong = 1; wrong < 200; wrong++) {
        d.header.total_size = wrong;
        DX_CHECK_EQ(dx_chunks_finish_dispatch(&d), wrong == 90 ? 0 : DX_CHUNKS_ECORRUPT);
    }
    k.type = 0xff;
    DX_CHECK_EQ(dx_chunks_dispatch(&d, &k), DX_CHUNKS_ECHUNKTYPE);
    k.type = 6;
    DX_CHECK_EQ(dx_chunks_dispatch(&d, &k), DX_CHUNKS_ECHUNKTYPE);
}

DX_TEST(sc_9_size_is_predictable)
{
    static uint8_t memory[60000], body[50000];
    dx_chunks_parts parts;
    dx_chunks_buffer out;
    size_t size;
    memset(&parts, 0, sizeof parts);
    parts.layout = parts.wasm = body;
    parts.layout_size = 1000;
    parts.wasm_size = 50000;
    DX_CHECK_EQ(dx_chunks_stream_size(&parts), 51089);
    out = buffer(memory, 51088);
    DX_CHECK_EQ(dx_chunks_write_stream(&out, &parts), DX_CHUNKS_ENOSPACE);
    out = buffer(memory, 51089);
    DX_CHECK_EQ(dx_chunks_write_stream(&out, &parts), 0);
    size = out.size;
    DX_CHECK_EQ(size, 51089);
    dx_chunks_reader r;
    start_reader(&r, &clog_a, 50000);
    clog_a.input = memory;
    clog_a.input_end = memory + size;
    DX_CHECK_EQ(dx_chunks_feed(&r, memory, size), 4);
    DX_CHECK(r.finished);
    DX_CHECK_EQ(clog_a.in_place, 4); /* SC-11: no copy */
    out.size = 0;
    parts.layout = NULL;
    DX_CHECK_EQ(dx_chunks_write_stream(&out, &parts), DX_CHUNKS_EINVAL);
    parts.layout_size = parts.wasm_size = parts.state_size = UINT32_MAX;
    DX_CHECK(dx_chunks_stream_size(&parts) == 89 + 3 * (uint64_t)UINT32_MAX);
}

DX_TEST(sc_9_the_writer_refuses_what_the_reader_would)
{
    uint8_t memory[128] = {0}, body[65] = {0};
    dx_chunks_buffer out;
    out = buffer(memory, sizeof memory);
    DX_CHECK_EQ(dx_chunks_write(&out, 0, body, 1), DX_CHUNKS_EINVAL);
    DX_CHECK_EQ(dx_chunks_write(&out, 6, body, 1), DX_CHUNKS_EINVAL);
    DX_CHECK_EQ(dx_chunks_write(&out, 1, body, 63), DX_CHUNKS_EINVAL);
    DX_CHECK_EQ(dx_chunks_write(&out, 0xff, body, 1), DX_CHUNKS_EINVAL);
    DX_CHECK_EQ(dx_chunks_write(&out, 2, NULL, 1), DX_CHUNKS_EINVAL);
    DX_CHECK_EQ(out.size, 0);
}

DX_TEST(w_11_sc_5_poll_is_first_in_first_out_without_copies)
{
    static uint8_t in[BIG];
    dx_chunks_reader r;
    dx_chunks_chunk k;
    size_t n = 0, count = 0;
    for (unsigned i = 0; i < 5000; i++) n += raw_chunk(in + n, 2 + i % 4, &i, 4);
    n += raw_chunk(in + n, 0xff, NULL, 0);
    memcpy(in + n, "tail", 4);
    start_reader(&r, &clog_a, 64);
    const uint8_t *p = in;
    size_t left = n + 4;
    while (dx_chunks_next(&r, &p, &left, &k) == 1) {
        unsigned i;
        memcpy(&i, k.data, 4);
        DX_CHECK(i == count && k.type == 2 + i % 4 && k.data + 4 == p);
        count++;
    }
    DX_CHECK_EQ(count, 5000);
    DX_CHECK(r.finished);
    DX_CHECK_EQ(left, 4); /* the following bytes are left to the caller */
    DX_CHECK_MEM(p, "tail", 4);
}

DX_TEST(sc_5_the_callback_can_stop_the_reader)
{
    dx_chunks_reader r;
    uint8_t in[64];
    size_t n = raw_chunk(in, 0x02, "layout", 6);
    start_reader(&r, &clog_a, 64);
    clog_a.refuse = -77;
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n), -77);
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n), -77);
    start_reader(&r, &clog_a, 64);
    clog_a.refuse = 1;
    DX_CHECK_EQ(dx_chunks_feed(&r, in, n), DX_CHUNKS_ECANCELED);
}

/* A random stream; returns the size. */
static size_t choose_stream(dx_choices *c, uint8_t *p, size_t chunks, size_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < chunks; i++) {
        static const uint8_t types[] = {2, 3, 4, 5, 1};
        uint8_t body[300];
        unsigned type = types[dx_choose(c, 4)];
        uint32_t size = type == 1 ? 64 : (uint32_t)dx_choose(c, most);
        for (uint32_t b = 0; b < size; b++) body[b] = (uint8_t)(i + b * 3);
        n += raw_chunk(p + n, type, body, size);
    }
    return n + raw_chunk(p + n, 0xff, NULL, 0);
}

DX_PROPERTY(sc_4_any_split_gives_the_same_chunks, 300)
{
    static uint8_t in[BIG];
    size_t chunks = (size_t)dx_choose(c, 30), at = 0;
    size_t n = choose_stream(c, in, chunks, 100), extra = (size_t)dx_choose(c, 9);
    int64_t completed = 0;
    dx_chunks_reader r;
    start_reader(&r, &clog_a, 100);
    while (at < n + extra) {
        size_t piece = (size_t)dx_choose_range(c, 1, n + extra - at);
        int64_t got = dx_chunks_feed(&r, exact(in + at, piece), piece);
        DX_CHECK(got >= 0);
        completed += got;
        at += piece;
    }
    DX_CHECK_EQ(completed, chunks);
    DX_CHECK_EQ(clog_a.size, n - 5);
    DX_CHECK_MEM(clog_a.bytes, in, n - 5);
    DX_CHECK_EQ(dx_chunks_finish(&r), 0);
    DX_CHECK_EQ(r.leftover, extra);
}

DX_EXHAUSTIVE(sc_4_every_pair_of_splits, 100000)
{
    uint8_t in[32];
    size_t n = raw_chunk(in, 2, "abc", 3);
    n += raw_chunk(in + n, 3, "", 0);
    n += raw_chunk(in + n, 4, "z", 1);
    n += raw_chunk(in + n, 0xff, "", 0);
    size_t a = (size_t)dx_choose(c, n), b = a + (size_t)dx_choose(c, n - a);
    dx_chunks_reader r;
    dx_chunks_reader_desc d;
    memset(&d, 0, sizeof d);
    d.memory = stream_memory;
    d.memory_size = 64;
    clog_b.size = clog_b.pieces = 0;
    d.on_chunk = keep_chunk;
    d.user = &clog_b;
    dx_chunks_reader_init(&r, &d);
    int64_t done = dx_chunks_feed(&r, in, a);
    done += dx_chunks_feed(&r, in + a, b - a);
    done += dx_chunks_feed(&r, in + b, n - b);
    DX_CHECK_EQ(done, 3);
    DX_CHECK(r.finished);
    DX_CHECK_EQ(clog_b.size, n - 5);
    DX_CHECK_MEM(clog_b.bytes, in, n - 5);
}

DX_TEST(sc_4_truncation_at_each_byte_is_incomplete)
{
    uint8_t in[512];
    size_t n = dx_test_vector(DOC, "chunk-stream", in, sizeof in);
    for (size_t cut = 0; cut < n; cut++) {
        dx_chunks_reader r;
        start_reader(&r, &clog_a, 64);
        DX_CHECK(dx_chunks_feed(&r, exact(in, cut), cut) >= 0);
        DX_CHECK_EQ(dx_chunks_finish(&r), DX_CHUNKS_ETRUNCATED);
        DX_CHECK(clog_a.size <= cut);
    }
}

DX_TEST(sc_4_every_single_bit_flip_is_survived)
{
    uint8_t in[512], bad[512];
    size_t n = dx_test_vector(DOC, "chunk-stream", in, sizeof in);
    for (size_t bit = 0; bit < n * 8; bit++) {
        dx_chunks_reader_desc rd;
        dx_chunks_reader r;
        dx_chunks_dispatcher d;
        memcpy(bad, in, n);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(&d, 0, sizeof d);
        memset(&rd, 0, sizeof rd);
        rd.memory = stream_memory;
        rd.memory_size = 1000;
        rd.on_chunk = dx_chunks_dispatch;
        rd.user = &d;
        dx_chunks_reader_init(&r, &rd);
        int64_t got = dx_chunks_feed(&r, exact(bad, n), n);
        bool ended = got >= 0 && !dx_chunks_finish(&r) && !dx_chunks_finish_dispatch(&d);
        /* Only the hash and the bodies of Layout and Wasm can change undetected. */
        size_t byte = bit / 8;
        bool free_bytes = (byte >= 21 && byte < 53) || (byte >= 74 && byte < 77) ||
                          (byte >= 87 && byte < 91);
        DX_CHECK_EQ(ended, free_bytes);
    }
}

DX_PROPERTY(sc_4_any_bytes_are_read_safely, 1000)
{
    uint8_t bytes[200];
    size_t n = (size_t)dx_choose(c, sizeof bytes), at = 0;
    dx_chunks_reader r;
    dx_choose_bytes(c, bytes, n);
    start_reader(&r, &clog_a, 64);
    while (at < n) {
        size_t piece = (size_t)dx_choose_range(c, 1, n - at);
        if (dx_chunks_feed(&r, exact(bytes + at, piece), piece) < 0) break;
        at += piece;
    }
    DX_CHECK(clog_a.size <= n);
}

/* Chunks, mostly almost valid, in pieces of any size: the same chunks and the same error as in one piece. */
DX_PROPERTY(fuzz_chunks, 3000)
{
    uint8_t bytes[1024];
    size_t n = choose_stream(c, bytes, (size_t)dx_choose(c, 6), 100), at = 0;
    dx_chunks_reader a, b;
    int64_t error = 0;
    for (uint64_t k = dx_choose(c, 4); k; k--) bytes[dx_choose(c, n - 1)] = (uint8_t)dx_choose(c, 255);
    if (dx_choose(c, 3) == 0) n = dx_choose(c, n);
    start_reader(&a, &clog_a, 64);
    const int64_t in_one = dx_chunks_feed(&a, exact(bytes, n), n);
    start_reader(&b, &clog_b, 64);
    while (at < n && error >= 0) {
        const size_t piece = (size_t)dx_choose_range(c, 1, n - at);
        error = dx_chunks_feed(&b, exact(bytes + at, piece), piece);
        at += piece;
    }
    DX_CHECK((in_one < 0) == (error < 0) && (in_one >= 0 || in_one == error));
    DX_CHECK(a.finished == b.finished && clog_a.size == clog_b.size && clog_a.size <= n);
    DX_CHECK_MEM(clog_a.bytes, clog_b.bytes, clog_a.size);
}

static dx_chunks_parts some_parts(void)
{
    dx_chunks_parts parts;
    memset(&parts, 0, sizeof parts);
    for (int i = 0; i < 32; i++) parts.target_hash[i] = (uint8_t)i;
    parts.layout = "<p>";
    parts.layout_size = 3;
    parts.wasm = "\0asm";
    parts.wasm_size = 4;
    return parts;
}

DX_TEST(vectors_of_the_document_are_what_the_writer_of_chunks_writes)
{
    uint8_t memory[512], want[512];
    dx_chunks_buffer out = buffer(memory, sizeof memory);
    const dx_chunks_parts parts = some_parts();
    DX_CHECK_EQ(dx_chunks_write_stream(&out, &parts), 0);
    DX_CHECK_EQ(dx_test_vector(DOC, "chunk-stream", want, sizeof want), out.size);
    DX_CHECK_MEM(memory, want, out.size);
    out.size = 0;
    DX_CHECK_EQ(dx_chunks_write(&out, DX_CHUNKS_PATCH, "PP", 2), 0);
    DX_CHECK_EQ(dx_test_vector(DOC, "patch-chunk", want, sizeof want), out.size);
    DX_CHECK_MEM(memory, want, out.size);
}

/* With any capacity below its need, a writer writes nothing. */
DX_TEST(w_37_sc_9_writers_are_all_or_nothing)
{
    const dx_chunks_parts parts = some_parts();
    for (int whole = 0; whole < 2; whole++) {
        const size_t need = whole ? 96 : 7;
        for (size_t capacity = 0; capacity <= need + 1; capacity++) {
            uint8_t *tight = (uint8_t *)malloc(capacity + 1);
            dx_chunks_buffer out = buffer(tight, capacity);
            const int error = whole ? dx_chunks_write_stream(&out, &parts) : dx_chunks_write(&out, DX_CHUNKS_PATCH, "PP", 2);
            DX_CHECK_EQ(error, capacity < need ? DX_CHUNKS_ENOSPACE : 0);
            DX_CHECK_EQ(out.size, capacity < need ? 0 : need);
            free(tight);
        }
    }
}

DX_TEST(the_errors_of_chunks_have_names)
{
    DX_CHECK_STR(dx_chunks_error_name(DX_CHUNKS_OK), "DX_CHUNKS_OK");
    for (int i = DX_CHUNKS_ENOLAYOUT; i <= DX_CHUNKS_ECHUNKTYPE; i++)
        DX_CHECK(strncmp(dx_chunks_error_name(i), "DX_CHUNKS_E", 11) == 0);
    DX_CHECK_STR(dx_chunks_error_name(1), "unknown error");
    DX_CHECK_STR(dx_chunks_error_name(-1000), "unknown error");
    DX_CHECK_EQ(dx_chunks_code_of_error(-1000), DX_CHUNKS_CODE_BAD_HEADER);
}

#define REFUSED(call) DX_CHECK_EQ((call), DX_CHUNKS_EINVAL)
DX_TEST(hb_chunks_refuse_null)
{
    static uint8_t memory[64];
    const uint8_t *p = memory;
    size_t size = 0;
    dx_chunks_reader r, none;
    dx_chunks_reader_desc desc;
    dx_chunks_chunk chunk = {memory, 0, DX_CHUNKS_WASM};
    dx_chunks_header header;
    dx_chunks_dispatcher d;
    memset(&desc, 0, sizeof desc);
    memset(&none, 0, sizeof none);
    memset(&d, 0, sizeof d);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    REFUSED(dx_chunks_reader_init(NULL, &desc));
    REFUSED(dx_chunks_reader_init(&r, NULL));
    desc.memory_size = sizeof memory - 1;
    REFUSED(dx_chunks_reader_init(&r, &desc));
    desc.memory_size = sizeof memory;
    desc.chunk_size_max = sizeof memory + 1;
    REFUSED(dx_chunks_reader_init(&r, &desc));
    desc.chunk_size_max = sizeof memory;
    DX_CHECK_EQ(dx_chunks_reader_init(&r, &desc), 0);
    REFUSED(dx_chunks_next(NULL, &p, &size, &chunk));
    REFUSED(dx_chunks_next(&none, &p, &size, &chunk));
    REFUSED(dx_chunks_next(&r, NULL, &size, &chunk));
    REFUSED(dx_chunks_next(&r, &p, NULL, &chunk));
    REFUSED(dx_chunks_next(&r, &p, &size, NULL));
    REFUSED(dx_chunks_finish(NULL));
    REFUSED(dx_chunks_finish(&none));
    REFUSED(dx_chunks_decode_header(NULL, 64, &header));
    REFUSED(dx_chunks_decode_header(memory, 64, NULL));
    REFUSED(dx_chunks_dispatch(NULL, &chunk));
    REFUSED(dx_chunks_dispatch(&d, NULL));
}

DX_TEST(chunk_writers_refuse_null)
{
    static uint8_t memory[512];
    uint8_t byte = 0;
    dx_chunks_buffer out = buffer(memory, sizeof memory), none;
    dx_chunks_parts parts;
    memset(&none, 0, sizeof none);
    memset(&parts, 0, sizeof parts);
    REFUSED(dx_chunks_write(NULL, DX_CHUNKS_WASM, &byte, 1));
    REFUSED(dx_chunks_write(&none, DX_CHUNKS_WASM, &byte, 1));
    REFUSED(dx_chunks_write(&out, DX_CHUNKS_WASM, NULL, 1));
    REFUSED(dx_chunks_write_stream(NULL, &parts));
    REFUSED(dx_chunks_write_stream(&out, NULL));
    out.size = out.capacity + 1;
    REFUSED(dx_chunks_write(&out, DX_CHUNKS_WASM, &byte, 1));
}

DX_TEST(bodies_of_4_gib_are_refused_by_the_writer)
{
#if SIZE_MAX > UINT32_MAX
    static uint8_t memory[64];
    dx_chunks_buffer out = buffer(memory, sizeof memory);
    DX_CHECK_EQ(dx_chunks_write(&out, DX_CHUNKS_WASM, memory, (size_t)UINT32_MAX + 1), DX_CHUNKS_ETOOBIG);
    DX_CHECK_EQ(dx_chunks_write(&out, DX_CHUNKS_WASM, memory, (size_t)UINT32_MAX), DX_CHUNKS_ENOSPACE);
    DX_CHECK_EQ(out.size, 0);
#endif
}
