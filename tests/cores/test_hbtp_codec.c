/* Tests of COMPRESSED and ENCRYPTED in dx_hbtp.h: with small toy codecs and, with -DDX_CODEC_ZSTD and
   -DDX_CODEC_SODIUM, with zstd and libsodium. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_codec.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { PAYLOAD = 400 };

/* >>toy codecs: not secret, not small, but each byte, header and counter matters ----------- */
typedef struct keys { uint64_t send, receive; } keys;

static void tag_of(uint64_t key, uint64_t counter, const uint8_t *header, const uint8_t *data, size_t size, uint8_t tag[16])
{
    uint64_t h = key * 0x9e3779b97f4a7c15u + counter;
    for (size_t i = 0; i < 8 + size; i++) h = (h ^ (i < 8 ? header[i] : data[i - 8])) * 0x100000001b3u + (h >> 29);
    memcpy(tag, &h, 8);
    h *= 0x9e3779b97f4a7c15u;
    memcpy(tag + 8, &h, 8);
}

static int toy_seal(void *user, uint64_t counter, const uint8_t header[8], uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) data[i] ^= (uint8_t)(0x5a + counter);
    tag_of(((keys *)user)->send, counter, header, data, size, data + size);
    return 0;
}

static int toy_open(void *user, uint64_t counter, const uint8_t header[8], const uint8_t *data, size_t size, uint8_t *plain)
{
    uint8_t tag[16];
    tag_of(((keys *)user)->receive, counter, header, data, size - 16, tag);
    if (memcmp(tag, data + size - 16, 16)) return -1;
    for (size_t i = 0; i + 16 < size; i++) plain[i] = data[i] ^ (uint8_t)(0x5a + counter);
    return 0;
}

static size_t toy_pack(void *user, const void *in, size_t size, void *out, size_t capacity) /* runs of one byte */
{
    const uint8_t *p = (const uint8_t *)in;
    (void)user;
    for (size_t i = 1; i < size; i++) if (p[i] != p[0]) return 0;
    if (capacity < 5) return 0;
    for (int i = 0; i < 4; i++) ((uint8_t *)out)[i] = (uint8_t)(size >> 8 * i);
    ((uint8_t *)out)[4] = p[0];
    return 5;
}

static int64_t toy_unpack(void *user, const void *in, size_t size, void *out, size_t capacity)
{
    const uint8_t *p = (const uint8_t *)in;
    (void)user;
    if (size != 5) return DX_HBTP_ECORRUPT;
    uint32_t n = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (n > capacity) return DX_HBTP_ETOOBIG;
    memset(out, p[4], n);
    return n;
}

static const dx_hbtp_codec toy_codec = {toy_pack, toy_unpack, NULL};

/* Writes all that it may before it reads anything, which a codec is allowed to do. */
static size_t careless_pack(void *user, const void *in, size_t size, void *out, size_t capacity)
{
    memset(out, 0, capacity);
    return toy_pack(user, in, size, out, capacity);
}

static const dx_hbtp_codec careless_codec = {careless_pack, toy_unpack, NULL};

/* >>two sides ---------------------------------------------------------- */
typedef struct side {
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    dx_hbtp_cipher  cipher;
    keys            keys;
    uint8_t         out_memory[4096], line[8192];
    size_t          line_size;
    uint64_t       *memory;
    uint32_t        calls, results, got;
    int             last_error, fail_first;
    uint8_t         data[PAYLOAD];
    size_t          data_size;
} side;
static side sides[2];

static void take_result(dx_hbtp_session *s, const dx_hbtp_result *r)
{
    side *x = (side *)s->desc.user;
    x->results++;
    x->last_error = r->error;
    x->data_size = r->payload_size;
    if (r->payload_size) memcpy(x->data, r->payload, r->payload_size);
}

static int echo(const dx_hbtp_context *c)
{
    side *x = (side *)c->session->desc.user;
    int error = dx_hbtp_write_packed(c->out, c->session->desc.codec, 0x31, 0, c->frame->sequence, c->payload, c->payload_size);
    x->calls++;
    if (!error && x->fail_first) { /* the written frame is dropped, with its counter */
        x->fail_first--;
        return 500;
    }
    return error;
}

static int collect(const dx_hbtp_context *c)
{
    side *x = (side *)c->session->desc.user;
    x->got++;
    x->data_size = c->payload_size;
    DX_CHECK(c->payload_size <= PAYLOAD);
    DX_CHECK_EQ(c->frame->flags & 3, 0);
    if (c->payload_size) memcpy(x->data, c->payload, c->payload_size);
    return 0;
}

static side *start(int which, bool sealed, const dx_hbtp_codec *codec, size_t out_size, bool in_place)
{
    side *x = &sides[which];
    dx_hbtp_session_desc d;
    free(x->memory);
    memset(x, 0, sizeof *x);
    memset(&d, 0, sizeof d);
    x->keys.send = which ? 11 : 22;
    x->keys.receive = which ? 22 : 11;
    x->cipher.seal = toy_seal;
    x->cipher.open = toy_open;
    x->cipher.user = &x->keys;
    dx_hbtp_out_init(&x->out, x->out_memory, out_size);
    dx_hbtp_router_init(&x->router);
    dx_hbtp_router_set_method(&x->router, 1, echo, NULL);
    dx_hbtp_router_set(&x->router, 0x10, collect, NULL);
    dx_hbtp_router_set(&x->router, 0xff, collect, NULL);
    d.payload_max = PAYLOAD;
    d.codec = codec;
    d.cipher = sealed ? &x->cipher : NULL;
    d.on_result = take_result;
    d.in_place = in_place;
    d.user = x;
    d.out = &x->out;
    d.router = &x->router;
    d.memory_size = dx_hbtp_session_memory_size(&d);
    d.memory = x->memory = (uint64_t *)malloc(d.memory_size);
    DX_CHECK_EQ(dx_hbtp_session_init(&x->s, &d), 0);
    return x;
}

static bool carry(side *from, side *to, size_t most)
{
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&from->out, &size);
    DX_CHECK(size <= sizeof from->line - from->line_size);
    memcpy(from->line + from->line_size, p, size);
    from->line_size += size;
    dx_hbtp_out_consume(&from->out, size);
    size = from->line_size < most ? from->line_size : most;
    uint8_t *copy = (uint8_t *)malloc(size + 1);
    memcpy(copy, from->line, size);
    int64_t used = dx_hbtp_feed(&to->s, size ? copy : NULL, size, 0);
    free(copy);
    if (used <= 0) return false;
    memmove(from->line, from->line + used, from->line_size -= (size_t)used);
    return true;
}

static void carry_all(side *a, side *b)
{
    for (int idle = 0; idle < 3; idle++) {
        bool one = carry(a, b, SIZE_MAX), two = carry(b, a, SIZE_MAX);
        if (one || two) idle = -1;
    }
}

/* >>encrypted ---------------------------------------------------------- */
DX_PROPERTY(st_19_sealed_sessions_talk_at_any_split, 150)
{
    const bool packed = dx_choose(c, 1) != 0, in_place = dx_choose(c, 1) != 0;
    side *a = start(0, true, packed ? &toy_codec : NULL, 1000, false);
    side *b = start(1, true, packed ? &toy_codec : NULL, (size_t)dx_choose_range(c, 500, 1200), in_place);
    uint32_t asked = 0;
    b->fail_first = (int)dx_choose(c, 3);
    for (uint64_t steps = dx_choose(c, 60); steps; steps--) {
        uint8_t data[300];
        size_t n = (size_t)dx_choose(c, sizeof data);
        memset(data, (int)asked, n);
        if (n && dx_choose(c, 1)) data[n / 2]++;
        if (!dx_hbtp_call(&a->s, 1, data, n, UINT64_MAX, NULL, NULL)) asked++;
        carry(a, b, (size_t)dx_choose(c, 500));
        carry(b, a, (size_t)dx_choose(c, 500));
    }
    carry_all(a, b);
    DX_CHECK_EQ(a->s.state, DX_HBTP_WANTS_INPUT);
    DX_CHECK_EQ(b->s.state, DX_HBTP_WANTS_INPUT);
    DX_CHECK_EQ(a->results, asked);
    DX_CHECK_EQ(a->cipher.opened, b->cipher.sealed);
    DX_CHECK_EQ(b->cipher.opened, a->cipher.sealed);
}

DX_TEST(st_19_every_frame_is_sealed_and_comes_back)
{
    side *a = start(0, true, NULL, 1000, false), *b = start(1, true, NULL, 1000, false);
    dx_hbtp_frame f;
    size_t size;
    DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, "secret", 6, UINT64_MAX, NULL, NULL), 0);
    const uint8_t *p = dx_hbtp_out_data(&a->out, &size);
    DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
    DX_CHECK_EQ(f.flags, DX_HBTP_FLAG_ENCRYPTED | DX_HBTP_FLAG_EXPECTS_RESPONSE);
    DX_CHECK_EQ(f.payload_size, 7 + 16);
    for (size_t i = 8; i + 6 <= size; i++) DX_CHECK(memcmp(p + i, "secret", 6));
    carry_all(a, b);
    DX_CHECK_EQ(a->results, 1);
    DX_CHECK_EQ(a->last_error, 0);
    DX_CHECK_EQ(a->data_size, 6);
    DX_CHECK_MEM(a->data, "secret", 6);
    dx_hbtp_out_set_checksum(&a->out, true);
    DX_CHECK_EQ(dx_hbtp_write_frame(&a->out, 0x8001, 0, 0, "ext", 3), 0); /* the opcode is hidden, too */
    carry_all(a, b);
    DX_CHECK_EQ(b->got, 1);
    DX_CHECK_MEM(b->data, "ext", 3);
    DX_CHECK_EQ(dx_hbtp_close(&a->s, 0, NULL), 0);
    carry_all(a, b);
    DX_CHECK_EQ(b->s.state, DX_HBTP_CLOSED);
    DX_CHECK_EQ(b->s.error, 0);
}

static int feed_error(side *b, const uint8_t *p, size_t size)
{
    int64_t used = dx_hbtp_feed(&b->s, p, size, 0);
    return used < 0 ? (int)used : 0;
}

DX_TEST(st_19_replayed_reordered_changed_and_plain_frames_close)
{
    uint8_t wire[3][64];
    size_t size = 0;
    side *a = start(0, true, NULL, 1000, false);
    for (int i = 0; i < 3; i++) {
        dx_hbtp_write_frame(&a->out, 0x10, 0, 0, "state", 5);
        const uint8_t *p = dx_hbtp_out_data(&a->out, &size);
        memcpy(wire[i], p, size);
        dx_hbtp_out_consume(&a->out, size);
    }
    DX_CHECK_EQ(size, 29);
    side *b = start(1, true, NULL, 1000, false);
    DX_CHECK_EQ(feed_error(b, wire[0], size), 0);
    DX_CHECK_EQ(feed_error(b, wire[0], size), DX_HBTP_ECORRUPT); /* replayed */
    DX_CHECK_EQ(b->got, 1);
    b = start(1, true, NULL, 1000, false);
    DX_CHECK_EQ(feed_error(b, wire[1], size), DX_HBTP_ECORRUPT); /* too early */
    b = start(1, true, NULL, 1000, false);
    DX_CHECK_EQ(feed_error(b, wire[0], size) | feed_error(b, wire[2], size), DX_HBTP_ECORRUPT); /* one is lost */
    for (size_t bit = 0; bit < size * 8; bit++) { /* except the length, which makes it another frame */
        if (bit / 8 >= 4 && bit / 8 < 8) continue;
        uint8_t copy[64];
        memcpy(copy, wire[0], size);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        memset(copy + size, 0, 4);
        b = start(1, true, NULL, 1000, false);
        int error = feed_error(b, copy, size + (copy[1] & 16 ? 4 : 0));
        DX_CHECK(error == DX_HBTP_ECORRUPT || error == DX_HBTP_EHEADER);
        DX_CHECK_EQ(b->got, 0);
        DX_CHECK_EQ(b->s.state, DX_HBTP_CLOSED);
    }
    for (unsigned n = 0; n < 16; n++) { /* too short for a tag */
        uint8_t frame[32] = {0x10, 2, 0, 0, (uint8_t)n};
        b = start(1, true, NULL, 1000, false);
        DX_CHECK_EQ(feed_error(b, frame, 8 + n), DX_HBTP_ECORRUPT);
    }
    b = start(1, true, NULL, 1000, false); /* no clear text once there are keys */
    DX_CHECK_EQ(feed_error(b, (const uint8_t *)"\x10\0\0\0\0\0\0\0", 8), DX_HBTP_EHEADER);
    b = start(1, true, NULL, 1000, false);
    DX_CHECK_EQ(feed_error(b, (const uint8_t *)"\x02\x08\0\0\0\0\0\0", 8), DX_HBTP_EHEADER);
}

static int full_seal(void *user, uint64_t counter, const uint8_t header[8], uint8_t *data, size_t size)
{
    (void)user; (void)counter; (void)header; (void)data; (void)size;
    return -1;
}

DX_TEST(st_19_nothing_leaves_when_sealing_fails_or_the_counter_is_used_up)
{
    side *a = start(0, true, NULL, 1000, false);
    size_t size;
    a->cipher.seal = full_seal;
    DX_CHECK_EQ(dx_hbtp_write_frame(&a->out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, NULL, 0), DX_HBTP_ESYS);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&a->out, 1, "four", 4), DX_HBTP_ESYS);
    a->cipher.seal = toy_seal;
    a->cipher.sealed = UINT64_MAX;
    DX_CHECK_EQ(dx_hbtp_write_frame(&a->out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, NULL, 0), DX_HBTP_ESYS);
    dx_hbtp_out_data(&a->out, &size);
    DX_CHECK_EQ(size, 0);
}

DX_TEST(st_19_refusals_have_room_in_the_smallest_buffer)
{
    static uint8_t wire[2000];
    for (int checksum = 0; checksum < 2; checksum++) {
        side *a = start(0, true, NULL, 4000, false), *b = start(1, true, NULL, DX_HBTP_OUT_MIN, false);
        size_t size;
        dx_hbtp_out_set_checksum(&b->out, checksum != 0);
        for (int i = 0; i < 4; i++) dx_hbtp_write_frame(&a->out, 0x20, 4, (uint16_t)(1000 + i), "no route", 8);
        dx_hbtp_call(&a->s, 77, NULL, 0, UINT64_MAX, NULL, NULL);
        carry_all(a, b);
        DX_CHECK_EQ(a->results, 1);
        DX_CHECK_EQ(a->last_error, DX_HBTP_EREMOTE);
        const uint8_t *p = dx_hbtp_out_data(&a->out, &size);
        memcpy(wire, p, size);
        DX_CHECK_EQ(feed_error(b, (const uint8_t *)"\x10\4\0\0\0\0\0\0", 8), DX_HBTP_EHEADER);
        dx_hbtp_out_data(&b->out, &size);
        DX_CHECK(size > 56); /* both the RpcError and the Close */
    }
}

/* >>compressed --------------------------------------------------------- */
static void send_packed(side *b, unsigned opcode, unsigned flags, unsigned sequence, const void *payload, size_t size)
{
    uint8_t bytes[100];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, bytes, sizeof bytes);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)opcode, (uint8_t)flags, (uint16_t)sequence, payload, size), 0);
    const uint8_t *p = dx_hbtp_out_data(&out, &size);
    DX_CHECK_EQ(dx_hbtp_feed(&b->s, p, size, 0), (int64_t)size);
}

static void check_refused(side *b, unsigned status)
{
    size_t size, text_size;
    const char *text;
    dx_hbtp_frame f;
    uint16_t got = 0;
    const uint8_t *p = dx_hbtp_out_data(&b->out, &size);
    DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
    DX_CHECK_EQ(dx_hbtp_parse_rpc_error(&f, &got, &text, &text_size), 0);
    DX_CHECK_EQ(got, status);
    dx_hbtp_out_reset(&b->out);
}

DX_TEST(hb_4_packed_payloads_are_unpacked_within_the_limit)
{
    side *b = start(1, false, &toy_codec, 1000, false);
    send_packed(b, 0x10, 1, 0, "\x90\1\0\0x", 5); /* 400: exactly the limit */
    DX_CHECK_EQ(b->got, 1);
    DX_CHECK_EQ(b->data_size, 400);
    for (int i = 0; i < 400; i++) DX_CHECK_EQ(b->data[i], 'x');
    send_packed(b, 0x10, 5, 9, "\x91\1\0\0x", 5); /* compression bombs */
    check_refused(b, 413);
    send_packed(b, 0x10, 5, 9, "\xff\xff\xff\xffx", 5);
    check_refused(b, 413);
    send_packed(b, 0x10, 5, 9, "\1\0\0\0", 4);
    check_refused(b, 400);
    send_packed(b, 0x10, 5, 9, NULL, 0);
    check_refused(b, 400);
    send_packed(b, 0x10, 7, 9, "\1\0\0\0x", 5); /* no cipher here */
    check_refused(b, 415);
    send_packed(b, 0xff, 1, 9, "\2\0\0\0\x80", 5); /* the opcode is packed, too: 8080h */
    DX_CHECK_EQ(b->got, 2);
    send_packed(b, 0xff, 5, 9, "\2\0\0\0\0", 5); /* opcode 0 */
    check_refused(b, 400);
    DX_CHECK_EQ(b->got, 2);
    DX_CHECK_EQ(b->s.state, DX_HBTP_WANTS_INPUT);
    uint16_t sequence; /* an answer that cannot be unpacked still ends its request */
    DX_CHECK_EQ(dx_hbtp_call(&b->s, 1, NULL, 0, UINT64_MAX, NULL, &sequence), 0);
    dx_hbtp_out_reset(&b->out);
    send_packed(b, 0x31, 1, sequence, "bad", 3);
    DX_CHECK_EQ(b->results, 1);
    DX_CHECK_EQ(b->last_error, DX_HBTP_ENOTSUP);
    DX_CHECK_EQ(dx_hbtp_call(&b->s, 1, NULL, 0, UINT64_MAX, NULL, &sequence), 0);
    dx_hbtp_out_reset(&b->out);
    send_packed(b, 0x31, 1, sequence, "\3\0\0\0z", 5);
    DX_CHECK_EQ(b->results, 2);
    DX_CHECK_EQ(b->last_error, 0);
    DX_CHECK_MEM(b->data, "zzz", 3);
}

DX_TEST(hb_4_the_writer_packs_only_what_gets_smaller)
{
    uint8_t memory[200], data[100] = {0};
    dx_hbtp_out out;
    dx_hbtp_frame f;
    size_t size;
    for (int what = 0; what < 4; what++) {
        dx_hbtp_out_init(&out, memory, sizeof memory);
        data[50] = what == 1;
        DX_CHECK_EQ(dx_hbtp_write_packed(&out, what == 2 ? NULL : &toy_codec, 0x10, 0, 5, data, what == 3 ? 4 : 100), 0);
        const uint8_t *p = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
        DX_CHECK_EQ(f.flags, what == 0);
        DX_CHECK_EQ(f.payload_size, what == 0 ? 5 : what == 3 ? 4 : 100);
    }
    DX_CHECK_EQ(dx_hbtp_write_packed(&out, &toy_codec, 0x100, 0, 5, data, 100), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_write_packed(&out, &toy_codec, 0x10, 0, 5, NULL, 100), DX_HBTP_EINVAL);
    dx_hbtp_out_init(&out, memory, 90);
    DX_CHECK_EQ(dx_hbtp_write_packed(&out, &toy_codec, 0x10, 0, 5, data, 100), DX_HBTP_ENOSPACE);
    dx_hbtp_out_data(&out, &size);
    DX_CHECK_EQ(size, 0);
}

DX_TEST(hb_4_a_payload_that_lies_in_the_buffer_is_packed_without_writing_over_it)
{
    for (size_t capacity = 100; capacity < 400; capacity++) {
        uint8_t memory[400];
        dx_hbtp_out out;
        dx_hbtp_frame f;
        size_t size;
        for (size_t before = 0; before < 4; before++) {
            dx_hbtp_out_init(&out, memory, capacity);
            if (capacity < 8 + before + 90) continue;
            memset(dx_hbtp_out_next(&out) + before, 'q', 90);
            DX_CHECK_EQ(dx_hbtp_write_packed(&out, &careless_codec, 0x10, 0, 5, dx_hbtp_out_next(&out) + before, 90), 0);
            const uint8_t *p = dx_hbtp_out_data(&out, &size);
            DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
            DX_CHECK_EQ(f.flags, capacity >= 8 + before + 90 + 79); /* if there is room after it */
            for (size_t i = 0; !f.flags && i < 90; i++) DX_CHECK_EQ(f.payload[i], 'q');
            if (f.flags) DX_CHECK_MEM(f.payload, "Z\0\0\0q", 5);
        }
    }
}

/* >>libraries ---------------------------------------------------------- */
DX_TEST(codec_errors_are_those_of_hbtp_and_have_names)
{
    DX_CHECK_STR(dx_codec_error_name(DX_CODEC_OK), "DX_CODEC_OK");
    DX_CHECK_STR(dx_codec_error_name(DX_CODEC_ETOOBIG), "DX_CODEC_ETOOBIG");
    DX_CHECK_STR(dx_codec_error_name(DX_CODEC_ECORRUPT), "DX_CODEC_ECORRUPT");
    DX_CHECK_STR(dx_codec_error_name(DX_CODEC_ENOTSUP), "DX_CODEC_ENOTSUP");
    DX_CHECK_STR(dx_codec_error_name(-1000), "unknown error");
    DX_CHECK_EQ(DX_CODEC_ETOOBIG, (int)DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(DX_CODEC_ECORRUPT, (int)DX_HBTP_ECORRUPT);
    DX_CHECK_EQ(DX_CODEC_ENOTSUP, (int)DX_HBTP_ENOTSUP);
}

#ifdef DX_CODEC_ZSTD
  #include <zdict.h>
static char state_text[64][300];

static size_t state_line(int i) /* a small JSON state; each differs */
{
    return (size_t)snprintf(state_text[i & 63], 300, "{\"user\":{\"id\":%d,\"name\":\"name-%d\",\"active\":true},\"position\":{\"x\":%d.5,\"y\":%d.25},\"items\":[%d,%d]}",
                            1000 + i * 7, i * 31, i * 3, i * 5, i, i * i);
}

DX_TEST(hb_4_zstd_with_and_without_a_dictionary)
{
    static char samples[200000], dictionary[4096];
    size_t sizes[1000], at = 0, n = 0;
    dx_codec_zstd z = {ZSTD_createCCtx(), ZSTD_createDCtx(), NULL, NULL, 1}, with = z;
    dx_hbtp_codec codec, dict_codec;
    char packed[400], back[400];
    for (int i = 0; i < 1000; i++) {
        sizes[i] = state_line(i);
        memcpy(samples + at, state_text[i & 63], sizes[i]);
        at += sizes[i];
    }
    n = ZDICT_trainFromBuffer(dictionary, sizeof dictionary, samples, sizes, 1000);
    DX_CHECK(!ZDICT_isError(n));
    with.cdict = ZSTD_createCDict(dictionary, n, 1);
    with.ddict = ZSTD_createDDict(dictionary, n);
    dx_codec_init_zstd(&codec, &z);
    dx_codec_init_zstd(&dict_codec, &with);
    size_t size = state_line(5000), small = dict_codec.pack(dict_codec.user, state_text[5000 & 63], size, packed, sizeof packed);
    DX_CHECK(small > 0 && small * 2 < size); /* with the dictionary: less than half */
    DX_CHECK_EQ(dict_codec.unpack(dict_codec.user, packed, small, back, sizeof back), (int64_t)size);
    DX_CHECK_MEM(back, state_text[5000 & 63], size);
    DX_CHECK_EQ(codec.unpack(codec.user, packed, small, back, sizeof back), DX_HBTP_ENOTSUP); /* without it */
    DX_CHECK_EQ(dict_codec.unpack(dict_codec.user, packed, small, back, size - 1), DX_HBTP_ETOOBIG);
    for (size_t cut = 0; cut < small; cut++) DX_CHECK(dict_codec.unpack(dict_codec.user, packed, cut, back, sizeof back) < 0);
    packed[small] = 0;
    DX_CHECK_EQ(dict_codec.unpack(dict_codec.user, packed, small + 1, back, sizeof back), DX_HBTP_ECORRUPT); /* trailing data */
    for (size_t bit = 0; bit < small * 8; bit++) { /* accepted or refused, but never beyond the buffer */
        char *copy = (char *)malloc(small), *room = (char *)malloc(size);
        memcpy(copy, packed, small);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        DX_CHECK(dict_codec.unpack(dict_codec.user, copy, small, room, size) <= (int64_t)size);
        free(copy);
        free(room);
    }
    /* Incompressible data is not compressed, whatever the capacity. */
    for (size_t room = 0; room < 100; room++) {
        char noise[100];
        uint64_t state = room;
        for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(dx_test_random(&state) & 0xff);
        DX_CHECK_EQ(codec.pack(codec.user, noise, sizeof noise, packed, room), 0);
    }
    /* A skippable frame, which zstd treats as an empty one, is no payload, whatever it contains. */
    for (unsigned magic = 0x50; magic < 0x60; magic++) {
        const char skippable[] = {(char)magic, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
        DX_CHECK_EQ(codec.unpack(codec.user, skippable, sizeof skippable, back, sizeof back), DX_HBTP_ECORRUPT);
        DX_CHECK_EQ(dict_codec.unpack(dict_codec.user, skippable, sizeof skippable, back, sizeof back), DX_HBTP_ECORRUPT);
    }
    /* A compression bomb: 100 MB of zeros in a few KB. Its stated size gets it refused. */
    char *zeros = (char *)calloc(1, 100000000), *bomb = (char *)malloc(20000);
    small = codec.pack(codec.user, zeros, 100000000, bomb, 20000);
    DX_CHECK(small > 0 && small < 20000);
    DX_CHECK_EQ(codec.unpack(codec.user, bomb, small, back, sizeof back), DX_HBTP_ETOOBIG);
    free(zeros);
    free(bomb);
    /* A frame without its uncompressed size. */
    ZSTD_CCtx_setParameter((ZSTD_CCtx *)z.cctx, ZSTD_c_contentSizeFlag, 0);
    small = ZSTD_compress2((ZSTD_CCtx *)z.cctx, packed, sizeof packed, "aaaaaaaaaaaaaaaaaaaaaaaa", 24);
    DX_CHECK(!ZSTD_isError(small));
    DX_CHECK_EQ(codec.unpack(codec.user, packed, small, back, sizeof back), DX_HBTP_ECORRUPT);
    ZSTD_freeCDict((ZSTD_CDict *)with.cdict);
    ZSTD_freeDDict((ZSTD_DDict *)with.ddict);
    ZSTD_freeCCtx((ZSTD_CCtx *)z.cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)z.dctx);
}
#endif

#ifdef DX_CODEC_ZSTD
/* One complete frame, with the receiver's dictionary: nothing before it, after it or in its place. */
DX_TEST(hb_4_zstd_payloads_are_one_frame_of_the_right_dictionary)
{
    static char samples[2][200000], dictionary[2][4096], packed[4000], back[400];
    static const uint8_t skippable[9] = {0x53, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7};
    size_t sizes[1000], dictionary_size[2];
    dx_codec_zstd z[3] = {{ZSTD_createCCtx(), ZSTD_createDCtx(), NULL, NULL, 1}};
    dx_hbtp_codec codec[3];
    z[1] = z[2] = z[0];
    for (int k = 0; k < 2; k++) {
        size_t at = 0;
        for (int i = 0; i < 1000; i++) {
            sizes[i] = state_line(i + k * 20000);
            memcpy(samples[k] + at, state_text[(i + k * 20000) & 63], sizes[i]);
            at += sizes[i];
        }
        dictionary_size[k] = ZDICT_trainFromBuffer(dictionary[k], sizeof dictionary[k], samples[k], sizes, 1000);
        DX_CHECK(!ZDICT_isError(dictionary_size[k]));
        z[k + 1].cdict = ZSTD_createCDict(dictionary[k], dictionary_size[k], 1);
        z[k + 1].ddict = ZSTD_createDDict(dictionary[k], dictionary_size[k]);
    }
    DX_CHECK(ZDICT_getDictID(dictionary[0], dictionary_size[0]) != ZDICT_getDictID(dictionary[1], dictionary_size[1]));
    for (int k = 0; k < 3; k++) dx_codec_init_zstd(&codec[k], &z[k]);
    const size_t size = state_line(7);
    const char *const text = state_text[7];
    for (int k = 0; k < 3; k++) {
        const size_t n = codec[k].pack(codec[k].user, text, size, packed, sizeof packed);
        DX_CHECK(n > 0);
        for (int other = 0; other < 3; other++) { /* a frame without a dictionary is valid for all */
            const int64_t want = k == 0 || k == other ? (int64_t)size : DX_HBTP_ENOTSUP;
            memset(back, 0, sizeof back);
            DX_CHECK_EQ(codec[other].unpack(codec[other].user, packed, n, back, sizeof back), want);
            if (want > 0) DX_CHECK_MEM(back, text, size);
        }
        for (size_t cut = 0; cut < n; cut++) { /* in memory of exactly this size */
            char *const part = (char *)malloc(cut ? cut : 1);
            memcpy(part, packed, cut);
            DX_CHECK_EQ(codec[k].unpack(codec[k].user, part, cut, back, sizeof back), DX_HBTP_ECORRUPT);
            free(part);
        }
        for (int way = 0; way < 3; way++) {
            size_t more = sizeof skippable;
            if (way == 0) memcpy(packed + n, skippable, more);
            if (way == 1) more = ZSTD_compress(packed + n, sizeof packed - n, "", 0, 1); /* an empty frame */
            if (way == 2) memmove(packed + more, packed, n), memcpy(packed, skippable, more);
            DX_CHECK_EQ(codec[k].unpack(codec[k].user, packed, n + more, back, sizeof back), DX_HBTP_ECORRUPT);
        }
    }
    for (int k = 1; k < 3; k++) {
        ZSTD_freeCDict((ZSTD_CDict *)z[k].cdict);
        ZSTD_freeDDict((ZSTD_DDict *)z[k].ddict);
    }
    ZSTD_freeCCtx((ZSTD_CCtx *)z[0].cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)z[0].dctx);
}
#endif

#ifdef DX_CODEC_SODIUM
/* The nonce is sixteen zero bytes and the whole counter, little-endian. */
DX_TEST(st_19_libsodium_seals_with_the_whole_counter)
{
    dx_codec_sodium keys;
    dx_hbtp_cipher cipher;
    uint8_t data[16 + DX_HBTP_TAG_SIZE], want[16 + DX_HBTP_TAG_SIZE], plain[16];
    uint64_t state = 3;
    DX_CHECK(sodium_init() >= 0);
    for (size_t i = 0; i < 32; i++) keys.receive_key[i] = keys.send_key[i] = (uint8_t)(i * 5 + 1);
    dx_codec_init_sodium(&cipher, &keys);
    for (unsigned shift = 0; shift < 64; shift++) {
        const uint64_t counter = dx_test_random(&state) >> shift;
        static const uint8_t header[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        uint8_t nonce[24] = {0};
        for (unsigned i = 0; i < 8; i++) nonce[16 + i] = (uint8_t)(counter >> 8 * i & 0xff);
        memcpy(data, "sixteen bytes...", 16);
        crypto_aead_xchacha20poly1305_ietf_encrypt(want, NULL, data, 16, header, 8, NULL, nonce, keys.send_key);
        DX_CHECK_EQ(cipher.seal(cipher.user, counter, header, data, 16), 0);
        DX_CHECK_MEM(data, want, sizeof want);
        DX_CHECK_EQ(cipher.open(cipher.user, counter, header, data, sizeof data, plain), 0);
        DX_CHECK_MEM(plain, "sixteen bytes...", 16);
        DX_CHECK(cipher.open(cipher.user, counter + 1, header, data, sizeof data, plain) != 0);
    }
}

DX_TEST(st_19_libsodium_two_sessions_and_the_vector_of_the_document)
{
    dx_codec_sodium mine, theirs;
    uint8_t want[64];
    size_t size, n = dx_test_vector("docs/formats/hbtp.md", "sealed-ping", want, sizeof want);
    DX_CHECK(sodium_init() >= 0);
    side *a = start(0, true, NULL, 1000, false), *b = start(1, true, NULL, 1000, false);
    for (int i = 0; i < 32; i++) {
        mine.send_key[i] = theirs.receive_key[i] = (uint8_t)i;
        mine.receive_key[i] = theirs.send_key[i] = (uint8_t)(0x80 + i);
    }
    dx_codec_init_sodium(&a->cipher, &mine);
    dx_codec_init_sodium(&b->cipher, &theirs);
    DX_CHECK_EQ(dx_hbtp_write_frame(&a->out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, "hi", 2), 0);
    const uint8_t *p = dx_hbtp_out_data(&a->out, &size);
    DX_CHECK_EQ(size, n);
    DX_CHECK_MEM(p, want, n);
    for (int i = 0; i < 12; i++)
        DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, "again and again", 15, UINT64_MAX, NULL, NULL), 0);
    carry_all(a, b);
    DX_CHECK_EQ(a->results, 12);
    DX_CHECK_EQ(a->last_error, 0);
    DX_CHECK_MEM(a->data, "again and again", 15);
    a->cipher.sealed--; /* reusing a counter is detected */
    DX_CHECK_EQ(dx_hbtp_call(&a->s, 1, "x", 1, UINT64_MAX, NULL, NULL), 0);
    carry(a, b, SIZE_MAX);
    DX_CHECK_EQ(b->s.error, DX_HBTP_ECORRUPT);
}
#endif
