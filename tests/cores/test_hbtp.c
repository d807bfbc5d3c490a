/* Tests of dx_hbtp.h. Names carry the requirement that they verify. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define DOC "docs/formats/hbtp.md"
enum { BIG = 1 << 17 };

/* >>helpers ------------------------------------------------------------ */
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

static size_t raw_frame(uint8_t *p, unsigned opcode, unsigned flags, unsigned sequence,
                        const void *payload, size_t size)
{
    p[0] = (uint8_t)opcode;
    p[1] = (uint8_t)flags;
    p[2] = (uint8_t)sequence;
    p[3] = (uint8_t)(sequence >> 8);
    for (int i = 0; i < 4; i++) p[4 + i] = (uint8_t)(size >> 8 * i);
    if (size) memcpy(p + 8, payload, size);
    if (!(flags & 0x10)) return 8 + size;
    uint32_t crc = ~0u; /* bitwise, unlike the one under test */
    for (size_t i = 0; i < 8 + size; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    for (int i = 0; i < 4; i++) p[8 + size + (size_t)i] = (uint8_t)(~crc >> 8 * i);
    return 12 + size;
}

typedef struct rig { /* a session with its memory and an event log */
    dx_hbtp_session s;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    uint8_t         out_memory[8192];
    uint64_t       *memory;
    uint8_t         log[BIG], sent[BIG]; /* dispatched frames, sent bytes */
    size_t          log_size, sent_size;
    uint32_t        calls, events[16], results;
    int             last_error, last_status, reply;
    const uint8_t  *last_payload;
    uint8_t         later[256][2];
} rig;

static rig *fresh(int which)
{
    static rig rigs[3];
    rig *r = &rigs[which];
    free(r->memory);
    memset(r, 0, sizeof *r);
    return r;
}

static int log_frame(const dx_hbtp_context *c)
{
    rig *r = (rig *)c->session->desc.user;
    uint8_t frame[BIG];
    size_t n = raw_frame(frame, c->frame->opcode & 0xff, c->frame->flags & 0xefu,
                         c->frame->sequence, c->payload, c->payload_size);
    DX_CHECK(r->log_size + n <= sizeof r->log);
    memcpy(r->log + r->log_size, frame, n);
    r->log_size += n;
    r->last_payload = c->frame->payload;
    r->calls++;
    return r->reply;
}

static int echo(const dx_hbtp_context *c)
{
    ((rig *)c->session->desc.user)->calls++;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

static int answer_at_length(const dx_hbtp_context *c)
{
    static const uint8_t result[248] = {1};
    ((rig *)c->session->desc.user)->calls++;
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, result, sizeof result);
}

/* the result is what the route's user pointer points to */
static int answer_user(const dx_hbtp_context *c)
{
    ((rig *)c->session->desc.user)->calls++;
    return *(int *)c->user;
}

static void count_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    rig *r = (rig *)s->desc.user;
    DX_CHECK(event >= DX_HBTP_EVENT_UNKNOWN_OPCODE && event <= DX_HBTP_EVENT_CLOSED);
    DX_CHECK(frame || event == DX_HBTP_EVENT_CLOSED);
    r->events[event]++;
}

static void count_result(dx_hbtp_session *s, const dx_hbtp_result *result)
{
    rig *r = (rig *)s->desc.user;
    r->results++;
    r->last_error = result->error;
    r->last_status = result->status;
    if (result->user) ++*(int *)result->user;
}

/* Fill in missing fields and start. */
static void start(rig *r, dx_hbtp_session_desc *d, size_t out_size)
{
    DX_CHECK_EQ(dx_hbtp_out_init(&r->out, r->out_memory, out_size), 0);
    dx_hbtp_router_init(&r->router);
    d->memory_size = dx_hbtp_session_memory_size(d);
    DX_CHECK(d->memory_size > 0);
    r->memory = (uint64_t *)malloc(d->memory_size);
    d->memory = r->memory;
    d->out = &r->out;
    d->router = &r->router;
    d->on_event = count_event;
    d->on_result = count_result;
    d->user = r;
    DX_CHECK_EQ(dx_hbtp_session_init(&r->s, d), 0);
}

static rig *plain_rig(int which, uint32_t payload_max)
{
    rig *r = fresh(which);
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.payload_max = payload_max;
    start(r, &d, 0);
    return r;
}

static size_t drain(rig *r, size_t most)
{
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&r->out, &size);
    if (size > most) size = most;
    DX_CHECK(r->sent_size + size <= sizeof r->sent);
    memcpy(r->sent + r->sent_size, p, size);
    r->sent_size += size;
    DX_CHECK_EQ(dx_hbtp_out_consume(&r->out, size), 0);
    return size;
}

/* Feed all bytes, sending whenever the session asks for it. Returns the last result. */
static int64_t feed_all(rig *r, const uint8_t *p, size_t size)
{
    size_t at = 0;
    for (int idle = 0; idle < 3;) {
        int64_t used = dx_hbtp_feed(&r->s, p + at, size - at, 0);
        if (used < 0 || r->s.state == DX_HBTP_CLOSED) {
            drain(r, SIZE_MAX);
            return used;
        }
        at += (size_t)used;
        bool sent = drain(r, SIZE_MAX) > 0;
        if (at == size && r->s.state == DX_HBTP_WANTS_INPUT) return 0;
        idle = used || sent ? 0 : idle + 1;
    }
    return 1; /* stuck */
}

static void check_sent(rig *r, const void *bytes, size_t size)
{
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(r->sent_size, size);
    DX_CHECK_MEM(r->sent, bytes, size);
    r->sent_size = 0;
}

static void check_sent_error(rig *r, unsigned sequence, unsigned status)
{
    dx_hbtp_frame f;
    uint16_t got = 0;
    const char *text;
    size_t text_size;
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(dx_hbtp_parse(r->sent, r->sent_size, 4096, &f), (int64_t)r->sent_size);
    DX_CHECK_EQ(f.opcode, DX_HBTP_OP_RPC_ERROR);
    DX_CHECK_EQ(f.sequence, sequence);
    DX_CHECK_EQ(dx_hbtp_parse_rpc_error(&f, &got, &text, &text_size), 0);
    DX_CHECK_EQ(got, status);
    r->sent_size = 0;
}

/* RpcError (unless the offending frame was an answer), then a Close with the same status. */
static void check_sent_failure(rig *r, int error_sequence, unsigned status)
{
    dx_hbtp_frame f;
    uint16_t got = 0;
    const char *text;
    size_t text_size, at = 0;
    drain(r, SIZE_MAX);
    for (int i = error_sequence < 0; i < 2; i++) {
        int64_t n = dx_hbtp_parse(r->sent + at, r->sent_size - at, 4096, &f);
        DX_CHECK(n > 0);
        at += (size_t)n;
        DX_CHECK_EQ(f.opcode, i ? DX_HBTP_OP_CLOSE : DX_HBTP_OP_RPC_ERROR);
        DX_CHECK_EQ(f.flags, i ? DX_HBTP_FLAG_FINAL : 0);
        if (!i) DX_CHECK_EQ(f.sequence, error_sequence);
        DX_CHECK_EQ(dx_hbtp_parse_rpc_error(&f, &got, &text, &text_size), 0);
        DX_CHECK_EQ(got, status);
    }
    DX_CHECK_EQ(at, r->sent_size);
    DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_CLOSED], 1);
}

/* >>frame -------------------------------------------------------------- */
DX_TEST(p8_opcodes_are_unique_bytes_with_names_and_stand_in_the_document)
{
    char *doc = (char *)dx_test_file(DOC, NULL), row[64];
    int seen[256] = {0}, defined = 0;
    DX_CHECK(doc != NULL);
#define COUNT(value, constant, name)                                   \
    DX_CHECK((value) >= 0 && (value) <= 255 && !seen[value]++);        \
    DX_CHECK_EQ(DX_HBTP_OP_##constant, value);                         \
    DX_CHECK_STR(dx_hbtp_opcode_name(value), name);                    \
    snprintf(row, sizeof row, "| %02Xh | %s |", (unsigned)(value), name); \
    DX_CHECK(strstr(doc, row) != NULL);
    DX_HBTP_OPCODES(COUNT)
#undef COUNT
    for (unsigned i = 0; i < 256; i++) {
        defined += seen[i];
        DX_CHECK_EQ(dx_hbtp_opcode_is_defined((uint16_t)i), seen[i]);
        if (!seen[i]) DX_CHECK_STR(dx_hbtp_opcode_name((uint16_t)i), "Unknown");
    }
    DX_CHECK_EQ(defined, 30);
    DX_CHECK_STR(dx_hbtp_opcode_name(0x100), "Extended");
    DX_CHECK(!dx_hbtp_opcode_is_defined(0x100));
    free(doc);
}

DX_TEST(hb_2_hb_3_the_values_are_those_of_the_requirements)
{
    static const struct { unsigned value; const char *name; } want[] = {
        {0x00, "Ping"}, {0x01, "Pong"}, {0x02, "Close"}, {0x10, "StateSync"}, {0x11, "StateDelta"},
        {0x20, "HtipClone"}, {0x21, "HtipPatchText"}, {0x30, "RpcCall"}, {0x31, "RpcResponse"},
        {0x32, "RpcError"}, {0x40, "ClientEvent"}, {0xff, "Extended"}, {0x12, "StateSubscribe"},
        {0x13, "StateUnsubscribe"}, {0x22, "HtipPatchAttr"}, {0x23, "HtipRemove"},
        {0x24, "HtipBatch"}, {0x33, "RpcStreamStart"}, {0x34, "RpcStreamChunk"},
        {0x35, "RpcStreamEnd"}, {0x41, "ServerEvent"}, {0x50, "BinaryBlob"}, {0x51, "FileChunk"},
        {0x60, "AuthChallenge"}, {0x61, "AuthResponse"}, {0x62, "AuthSuccess"},
        {0x63, "AuthFailure"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        DX_CHECK_STR(dx_hbtp_opcode_name((uint16_t)want[i].value), want[i].name);
    DX_CHECK_EQ(sizeof want / sizeof *want, 27);
}

DX_TEST(hb_3_all_256_opcodes_round_trip)
{
    for (unsigned op = 0; op < 256; op++) {
        uint8_t memory[64];
        size_t size;
        dx_hbtp_out out;
        dx_hbtp_frame f;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)op, 0, (uint16_t)(op * 257), "abc", 3), 0);
        const uint8_t *p = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(p, size, 3, &f), 11);
        DX_CHECK_EQ(f.opcode, op);
        DX_CHECK_EQ(f.sequence, op * 257);
        DX_CHECK_MEM(f.payload, "abc", 3);
    }
}

DX_TEST(p9_hb_1_header_is_eight_bytes_little_endian)
{
    const dx_hbtp_header h = {0x30, 0x15, 0x1234, 0x89abcdefu};
    const uint8_t want[8] = {0x30, 0x15, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89};
    uint8_t got[8];
    dx_hbtp_header back;
    DX_CHECK_EQ(sizeof(dx_hbtp_header), 8);
    DX_CHECK_EQ(DX_HBTP_HEADER_SIZE, 8);
    DX_CHECK_EQ(sizeof(dx_hbtp_descriptor), 16);
    dx_hbtp_put_header(got, &h);
    DX_CHECK_MEM(got, want, 8);
    DX_CHECK_EQ(dx_hbtp_parse_header(got, 8, &back), 8);
    DX_CHECK_MEM(&back, &h, sizeof h);
}

DX_TEST(p10_header_needs_eight_bytes_at_any_address)
{
    uint8_t frame[64], place[128];
    size_t size = raw_frame(frame, 0x50, 0, 77, "unaligned payload", 17);
    for (size_t at = 0; at < 64; at++)
        for (size_t n = 0; n <= size; n++) {
            dx_hbtp_header h;
            dx_hbtp_frame f;
            memcpy(place + at, frame, n);
            DX_CHECK_EQ(dx_hbtp_parse_header(place + at, n, &h), n < 8 ? 0 : 8);
            DX_CHECK_EQ(dx_hbtp_parse(place + at, n, 17, &f), n < size ? 0 : (int64_t)size);
            DX_CHECK_EQ(f.frame_size, n < 8 ? 8 : size);
        }
}

DX_TEST(p12_hb_4_all_256_flag_sets_round_trip)
{
    for (unsigned flags = 0; flags < 256; flags++)
        for (int checksum = 0; checksum < 2; checksum++) {
            uint8_t memory[64], raw[64];
            size_t size;
            dx_hbtp_out out;
            dx_hbtp_frame f;
            dx_hbtp_out_init(&out, memory, sizeof memory);
            dx_hbtp_out_set_checksum(&out, checksum != 0);
            DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x40, (uint8_t)flags, 5, "xyz", 3), 0);
            const uint8_t *p = dx_hbtp_out_data(&out, &size);
            unsigned want = flags | (checksum ? 0x10u : 0);
            DX_CHECK_EQ(size, want & 0x10 ? 15 : 11);
            DX_CHECK_EQ(raw_frame(raw, 0x40, want, 5, "xyz", 3), size);
            DX_CHECK_MEM(p, raw, size);
            DX_CHECK_EQ(dx_hbtp_parse(p, size, 3, &f), (int64_t)size);
            DX_CHECK_EQ(f.flags, want);
            DX_CHECK_EQ(f.payload_size, 3);
        }
}

DX_TEST(errors_have_names_and_the_common_values)
{
    static const char *const common[] = {"OK", "EINVAL", "ENOMEM", "ENOSPACE", "ETOOBIG",
                                         "ECORRUPT", "EAGAIN", "ESYS", "ENOTSUP", "ENOTFOUND",
                                         "ECANCELED", "ETRUNCATED", "EVERSION"};
    for (int i = 0; i <= 12; i++) {
        char want[40];
        snprintf(want, sizeof want, "DX_HBTP_%s", common[i]);
        DX_CHECK_STR(dx_hbtp_error_name(-i), want);
    }
    for (int i = DX_HBTP_EREMOTE; i <= DX_HBTP_EHEADER; i++)
        DX_CHECK(strncmp(dx_hbtp_error_name(i), "DX_HBTP_E", 9) == 0);
    DX_CHECK_STR(dx_hbtp_error_name(1), "unknown error");
    DX_CHECK_STR(dx_hbtp_error_name(-31), "unknown error");
    DX_CHECK_STR(dx_hbtp_error_name(-1000), "unknown error");
    DX_CHECK_STR(dx_hbtp_status_text(404), "not found");
    for (unsigned i = 0; i < 65536; i++) DX_CHECK(strlen(dx_hbtp_status_text((uint16_t)i)) <= 24);
}

DX_TEST(w_36_hb_5_truncation_at_each_byte_is_incomplete_never_empty)
{
    for (size_t length = 0; length < 70; length++)
        for (unsigned flags = 0; flags <= 0x10; flags += 0x10) {
            uint8_t payload[70], frame[90];
            dx_hbtp_frame f;
            memset(payload, (int)length, sizeof payload);
            size_t size = raw_frame(frame, 0x30, flags, 9, payload, length);
            for (size_t n = 0; n < size; n++) {
                DX_CHECK_EQ(dx_hbtp_parse(exact(frame, n), n, 100, &f), 0);
                DX_CHECK_EQ(f.frame_size, n < 8 ? 8 : size);
            }
            const uint8_t *p = exact(frame, size);
            DX_CHECK_EQ(dx_hbtp_parse(p, size, 100, &f), (int64_t)size);
            DX_CHECK_EQ(f.payload_size, length);
            DX_CHECK(f.payload == p + 8);
        }
}

DX_TEST(hb_6_lengths_up_to_2_32_are_checked_before_anything)
{
    static const uint32_t lengths[] = {0, 1, 2, 99, 100, 101, 65535, 65536,
                                       0x7ffffff3u, 0x7ffffff4u,
                                       0x7fffffffu, 0x80000000u, 0xfffffff0u, 0xfffffff3u,
                                       0xfffffff4u, 0xfffffff7u, 0xfffffff8u, 0xfffffffbu,
                                       0xfffffffeu, 0xffffffffu};
    const size_t count = sizeof lengths / sizeof *lengths;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++)
            for (unsigned flags = 0; flags <= 0x10; flags += 0x10) {
                uint8_t h[8];
                dx_hbtp_frame f;
                const dx_hbtp_header header = {0x51, (uint8_t)flags, 3, lengths[i]};
                dx_hbtp_put_header(h, &header);
                int64_t got = dx_hbtp_parse(exact(h, 8), 8, lengths[k], &f);
                if (lengths[i] > lengths[k]) {
                    DX_CHECK_EQ(got, DX_HBTP_ETOOBIG);
                    DX_CHECK_EQ(f.sequence, 3);
                    DX_CHECK_EQ(f.payload_size, lengths[i]);
                } else if (!lengths[i] && !flags) {
                    DX_CHECK_EQ(got, 8);
                } else {
                    DX_CHECK_EQ(got, 0);
                    DX_CHECK_EQ(f.frame_size, 8 + (uint64_t)lengths[i] + (flags ? 4 : 0));
                }
            }
}

DX_TEST(frame_arguments_are_checked)
{
    dx_hbtp_frame f;
    size_t count;
    DX_CHECK_EQ(dx_hbtp_parse(NULL, 0, 10, &f), 0);
    DX_CHECK_EQ(dx_hbtp_parse(NULL, 8, 10, &f), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_parse("12345678", 8, 10, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_parse_batch(NULL, 0, 10, NULL, 0, &count), 0);
    DX_CHECK_EQ(dx_hbtp_parse_batch(NULL, 1, 10, NULL, 0, &count), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_resolve_extended(NULL), DX_HBTP_EINVAL);
}

DX_TEST(close_and_rpc_error_payloads_are_taken_apart)
{
    for (unsigned op = 0; op < 2; op++)
        for (unsigned flags = 0; flags < 16; flags++)
            for (size_t n = 0; n < 8; n++) {
                uint8_t frame[32];
                dx_hbtp_frame f;
                const char *text;
                size_t text_size, size;
                uint16_t status = 9;
                size = raw_frame(frame, op ? 0x32 : 0x02, flags, 0, "\x94\1\0\0text", n);
                DX_CHECK_EQ(dx_hbtp_parse(exact(frame, size), size, 100, &f), (int64_t)size);
                int error = dx_hbtp_parse_rpc_error(&f, &status, &text, &text_size);
                int want = (flags & 3) ? DX_HBTP_ENOTSUP : !n && !op ? 0
                         : n < 4 ? DX_HBTP_ETRUNCATED : 0;
                DX_CHECK_EQ(error, want);
                DX_CHECK_EQ(status, error || !n ? 0 : 404);
                DX_CHECK_EQ(text_size, error || !n ? 0 : n - 4);
                DX_CHECK_MEM(text, "text", text_size);
            }
}

DX_TEST(hb_4_checksum_every_single_bit_flip_is_found)
{
    uint8_t frame[64], bad[64];
    size_t size = raw_frame(frame, 0x10, 0x10, 0x1234, "some state", 10);
    for (size_t bit = 0; bit < size * 8; bit++) {
        dx_hbtp_frame f;
        memcpy(bad, frame, size);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int64_t got = dx_hbtp_parse(exact(bad, size), size, 1000, &f);
        if (bit == 8 + 4) DX_CHECK_EQ(got, 18); /* the flag itself: see require_checksum */
        else if (bit / 8 >= 4 && bit / 8 < 8) DX_CHECK(got <= 0);
        else DX_CHECK_EQ(got, DX_HBTP_ECORRUPT);
    }
}

DX_TEST(hb_8_extended_opcodes)
{
    for (unsigned op = 0x100; op < 0x10000; op += 0xff) {
        uint8_t memory[32];
        size_t size;
        dx_hbtp_out out;
        dx_hbtp_frame f;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        DX_CHECK_EQ(dx_hbtp_write_frame(&out, (uint16_t)op, 0, 4, "pay", 3), 0);
        const uint8_t *p = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(p, size, 5, &f), 13);
        DX_CHECK_EQ(f.opcode, 0xff);
        DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), 0);
        DX_CHECK_EQ(f.opcode, op);
        DX_CHECK_EQ(f.payload_size, 3);
        DX_CHECK_MEM(f.payload, "pay", 3);
        DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), 0); /* resolving twice changes nothing */
        DX_CHECK_EQ(f.opcode, op);
    }
    for (unsigned op = 0; op < 0x100; op++) { /* one encoding each, including FF in FF */
        uint8_t body[2] = {(uint8_t)op, 0}, frame[16];
        dx_hbtp_frame f;
        size_t size = raw_frame(frame, 0xff, 0, 1, body, 2);
        DX_CHECK_EQ(dx_hbtp_parse(frame, size, 5, &f), 10);
        DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), DX_HBTP_ECORRUPT);
        for (unsigned flags = 1; flags < 4; flags++) { /* opaque: not parsed */
            f.flags = (uint8_t)flags;
            DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), 0);
            DX_CHECK_EQ(f.opcode, 0xff);
        }
        f.flags = 0;
        f.payload_size = op & 1;
        DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), DX_HBTP_ETRUNCATED);
    }
}

/* The whole format in twenty lines, written independently of the header. */
typedef struct ref_frame { unsigned opcode, flags, sequence; size_t payload, size; } ref_frame;

static int ref_parse(const uint8_t *p, size_t n, uint64_t limit, ref_frame *v, size_t *count)
{
    size_t at = 0;
    for (*count = 0; n - at >= 8; ++*count) {
        uint8_t again[BIG];
        ref_frame *f = &v[*count];
        uint64_t length = p[at + 4] + p[at + 5] * 256ull + p[at + 6] * 65536ull +
                          p[at + 7] * 16777216ull;
        uint64_t all = 8 + length + (p[at + 1] & 16 ? 4 : 0);
        if (length > limit) return DX_HBTP_ETOOBIG;
        if (all > n - at) break;
        f->opcode = p[at];
        f->flags = p[at + 1];
        f->sequence = p[at + 2] + p[at + 3] * 256u;
        f->payload = at + 8;
        f->size = (size_t)length;
        raw_frame(again, f->opcode, f->flags, f->sequence, p + at + 8, (size_t)length);
        if (memcmp(again, p + at, (size_t)all) != 0) return DX_HBTP_ECORRUPT;
        at += (size_t)all;
    }
    return 0;
}

/* Random bytes that are mostly frames. Returns the size. */
static size_t choose_trace(dx_choices *c, uint8_t *p, size_t frames, size_t most, bool bad)
{
    size_t n = 0;
    for (size_t i = 0; i < frames; i++) {
        static const uint8_t ops[] = {0x30, 0x00, 0x01, 0x31, 0x32, 0x10, 0x51, 0xff, 0x03, 0x11};
        uint8_t payload[600];
        size_t k = (size_t)dx_choose(c, sizeof ops - 1), size = (size_t)dx_choose(c, most);
        unsigned op = ops[k], flags = dx_choose(c, 1) ? (unsigned)dx_choose(c, 255) & 0xdcu : 0;
        if (bad && dx_choose(c, 30) == 1) flags |= (unsigned)dx_choose(c, 255);
        if (bad && dx_choose(c, 60) == 1) op = (unsigned)dx_choose(c, 255);
        for (size_t b = 0; b < size; b++) payload[b] = (uint8_t)(i * 31 + b);
        if (size) payload[0] = (uint8_t)dx_choose(c, 4);
        n += raw_frame(p + n, op, flags, (unsigned)dx_choose(c, 300), payload, size);
        if (bad && dx_choose(c, 120) == 1) {
            size_t byte = n - 1 - (size_t)dx_choose(c, 7);
            p[byte] ^= (uint8_t)(1u << dx_choose(c, 7));
        }
    }
    return n;
}

DX_PROPERTY(hb_5_parser_agrees_with_the_reference, 400)
{
    static uint8_t trace[BIG];
    static ref_frame ref[256];
    size_t count, at = 0, n = choose_trace(c, trace, (size_t)dx_choose(c, 30), 40, true);
    if (dx_choose(c, 3) == 1) dx_choose_bytes(c, trace + n / 2, n / 2 < 40 ? n / 2 : 40);
    n -= (size_t)dx_choose(c, n < 20 ? n : 20);
    int end = ref_parse(trace, n, 50, ref, &count);
    const uint8_t *p = exact(trace, n);
    for (size_t i = 0; i <= count; i++) {
        dx_hbtp_frame f;
        int64_t got = dx_hbtp_parse(p + at, n - at, 50, &f);
        if (i == count) {
            DX_CHECK_EQ(got, end);
            break;
        }
        DX_CHECK(got > 0);
        DX_CHECK_EQ(f.opcode, ref[i].opcode);
        DX_CHECK_EQ(f.flags, ref[i].flags);
        DX_CHECK_EQ(f.sequence, ref[i].sequence);
        DX_CHECK(f.payload == p + ref[i].payload);
        DX_CHECK_EQ(f.payload_size, ref[i].size);
        at += (size_t)got;
    }
}

DX_PROPERTY(hb_11_batch_equals_one_by_one, 300)
{
    static uint8_t trace[BIG];
    static ref_frame ref[256];
    dx_hbtp_descriptor d[40];
    size_t count, got, base = 0, seen = 0;
    size_t n = choose_trace(c, trace, (size_t)dx_choose(c, 40), 40, true);
    int end = ref_parse(trace, n, 50, ref, &count);
    size_t capacity = (size_t)dx_choose_range(c, 1, 40);
    const uint8_t *p = exact(trace, n);
    for (;;) {
        int64_t used = dx_hbtp_parse_batch(p + base, n - base, 50, d, capacity, &got);
        DX_CHECK_EQ(used > 0, got > 0);
        if (used <= 0) {
            DX_CHECK_EQ(used, end);
            DX_CHECK_EQ(seen, count);
            return;
        }
        DX_CHECK(got <= capacity);
        for (size_t i = 0; i < got; i++, seen++) {
            DX_CHECK(seen < count);
            DX_CHECK_EQ(d[i].opcode, ref[seen].opcode);
            DX_CHECK_EQ(d[i].flags, ref[seen].flags);
            DX_CHECK_EQ(d[i].sequence, ref[seen].sequence);
            DX_CHECK_EQ(base + d[i].payload_offset, ref[seen].payload);
            DX_CHECK_EQ(d[i].payload_size, ref[seen].size);
        }
        base += (size_t)used;
    }
}

DX_PROPERTY(hb_11_grouping_keeps_every_descriptor_and_the_order_within_an_opcode, 300)
{
    dx_hbtp_descriptor d[60];
    uint32_t order[60];
    uint64_t seen = 0;
    const size_t n = (size_t)dx_choose(c, 60);
    memset(d, 0, sizeof d);
    for (size_t i = 0; i < n; i++)
        d[i].opcode = (uint8_t)dx_choose(c, dx_choose(c, 1) ? 3 : 255);
    DX_CHECK_EQ(dx_hbtp_group(d, n, order), 0);
    for (size_t i = 0; i < n; i++) {
        DX_CHECK(order[i] < n);
        seen |= 1ull << order[i];
        if (!i) continue;
        const uint8_t last = d[order[i - 1]].opcode, opcode = d[order[i]].opcode;
        DX_CHECK(last < opcode || (last == opcode && order[i - 1] < order[i]));
    }
    DX_CHECK_EQ(seen, (1ull << n) - 1);
    DX_CHECK_EQ(dx_hbtp_group(NULL, 0, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_group(d, 1, NULL), DX_HBTP_EINVAL);
}

DX_PROPERTY(hb_11_equal_lengths_with_odd_ones_between, 200)
{
    static uint8_t bytes[BIG];
    dx_hbtp_descriptor d[64];
    size_t n = 0, count, sizes[64], frames = (size_t)dx_choose_range(c, 1, 64);
    const size_t usual = (size_t)dx_choose(c, 30);
    for (size_t i = 0; i < frames; i++) {
        sizes[i] = dx_choose(c, 7) == 1 ? (size_t)dx_choose(c, 40) : usual;
        memset(bytes + BIG / 2, (int)i, sizes[i]);
        n += raw_frame(bytes + n, 0x10, dx_choose(c, 9) == 1 ? 0x10 : 0, (unsigned)i,
                       bytes + BIG / 2, sizes[i]);
    }
    DX_CHECK_EQ(dx_hbtp_parse_batch(exact(bytes, n), n, 40, d, 64, &count), (int64_t)n);
    DX_CHECK_EQ(count, frames);
    for (size_t i = 0; i < count; i++) {
        DX_CHECK_EQ(d[i].payload_size, sizes[i]);
        DX_CHECK_EQ(d[i].sequence, i);
        for (size_t b = 0; b < sizes[i]; b++) DX_CHECK_EQ(bytes[d[i].payload_offset + b], i);
    }
}

DX_PROPERTY(hb_5_any_bytes_are_parsed_safely, 2000)
{
    uint8_t bytes[64];
    dx_hbtp_frame f;
    size_t n = (size_t)dx_choose(c, sizeof bytes);
    dx_choose_bytes(c, bytes, n);
    const uint8_t *p = exact(bytes, n);
    int64_t got = dx_hbtp_parse(p, n, (uint32_t)dx_choose(c, UINT32_MAX), &f);
    if (got <= 0) return;
    DX_CHECK((uint64_t)got <= n && (uint64_t)got == f.frame_size);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < f.payload_size; i++) sum += f.payload[i];
    DX_CHECK(sum <= 255u * f.payload_size);
    (void)dx_hbtp_resolve_extended(&f);
    DX_CHECK(f.payload + f.payload_size <= p + n);
    dx_hbtp_file_chunk chunk;
    f.opcode = DX_HBTP_OP_FILE_CHUNK;
    if (!dx_hbtp_parse_file_chunk(&f, &chunk)) DX_CHECK(chunk.data + chunk.data_size <= p + n);
}

/* >>out ---------------------------------------------------------------- */
static dx_hbtp_file_chunk some_chunk(void)
{
    dx_hbtp_file_chunk k;
    k.transfer = 9;
    k.offset = 65536;
    k.data = (const uint8_t *)"123456789";
    k.data_size = 9;
    k.final = true;
    return k;
}

enum { WRITERS = 11 };

/* Every writer once, by number; the document's vectors are in the same order. */
static const char *const writer_names[WRITERS] = {
    "ping", "pong", "rpc-call", "rpc-response", "rpc-error", "close", "close-status", "checksum",
    "state-sync-compressed", "file-chunk", "extended"};

static int write_one(dx_hbtp_out *out, int which)
{
    dx_hbtp_file_chunk k = some_chunk();
    switch (which) {
    case 0: return dx_hbtp_write_frame(out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, "hi", 2);
    case 1: return dx_hbtp_write_pong(out, 1, "hi", 2);
    case 2: return dx_hbtp_write_rpc_call(out, 7, 1, "hello", 5);
    case 3: return dx_hbtp_write_rpc_response(out, 7, "world", 5);
    case 4: return dx_hbtp_write_rpc_error(out, 7, 404, NULL);
    case 5: return dx_hbtp_write_close(out, 0, NULL);
    case 6: return dx_hbtp_write_close(out, 400, "bad request");
    case 7: return dx_hbtp_write_frame(out, 0x10, 0x10, 0x1234, "state", 5);
    case 8: return dx_hbtp_write_state_sync(out, 3, true, "\x28\xb5\x2f\xfd", 4);
    case 9: return dx_hbtp_write_file_chunk(out, 7, &k);
    default: return dx_hbtp_write_frame(out, 0x8001, 0, 0, "x", 1);
    }
}

DX_TEST(vectors_of_the_document_are_what_the_writers_write)
{
    for (int i = 0; i < WRITERS; i++) {
        uint8_t memory[512], want[512];
        size_t size;
        dx_hbtp_out out;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        DX_CHECK_EQ(write_one(&out, i), 0);
        const uint8_t *p = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_test_vector(DOC, writer_names[i], want, sizeof want), size);
        DX_CHECK_MEM(p, want, size);
    }
}

DX_TEST(vectors_of_the_document_are_read_back)
{
    for (int i = 0; i < WRITERS; i++) {
        uint8_t bytes[512];
        dx_hbtp_frame f;
        size_t size = dx_test_vector(DOC, writer_names[i], bytes, sizeof bytes);
        DX_CHECK_EQ(dx_hbtp_parse(bytes, size, 100, &f), (int64_t)size);
        DX_CHECK_EQ(dx_hbtp_resolve_extended(&f), 0);
        DX_CHECK_EQ(f.opcode, i == 10 ? 0x8001 : bytes[0]);
    }
}

/* HB-9, W-37: with any capacity below its need, each writer writes nothing. */
DX_TEST(w_37_hb_9_every_writer_is_all_or_nothing)
{
    for (int which = 0; which < WRITERS; which++)
        for (int checksum = 0; checksum < 2; checksum++)
            for (size_t before = 0; before < 3; before++) {
                uint8_t big[600];
                dx_hbtp_out out;
                size_t need, size;
                dx_hbtp_out_init(&out, big, sizeof big);
                dx_hbtp_out_set_checksum(&out, checksum != 0);
                DX_CHECK_EQ(write_one(&out, which), 0);
                dx_hbtp_out_data(&out, &need);
                for (size_t capacity = 1; capacity <= need + 1; capacity++) {
                    const size_t head = before * 8;
                    uint8_t *tight = (uint8_t *)malloc(head + capacity);
                    dx_hbtp_out_init(&out, tight, head + capacity);
                    for (size_t k = 0; k < before; k++)
                        DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, NULL, 0), 0);
                    dx_hbtp_out_set_checksum(&out, checksum != 0);
                    int error = write_one(&out, which);
                    DX_CHECK_EQ(error, capacity < need ? DX_HBTP_ENOSPACE : 0);
                    const uint8_t *p = dx_hbtp_out_data(&out, &size);
                    DX_CHECK_EQ(size, head + (capacity < need ? 0 : need));
                    if (!error) DX_CHECK_MEM(p + head, big, need);
                    if (error) DX_CHECK_EQ(dx_hbtp_out_room(&out), capacity);
                    free(tight);
                }
            }
}

DX_TEST(hb_9_sizes)
{
    uint8_t memory[DX_HBTP_OUT_SIZE];
    size_t size;
    dx_hbtp_out out;
    DX_CHECK_EQ(dx_hbtp_out_init(&out, memory, 0), 0);
    DX_CHECK_EQ(dx_hbtp_out_room(&out), 4096);
    DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, NULL, 0), 0);
    dx_hbtp_out_data(&out, &size);
    DX_CHECK_EQ(size, 8);
    DX_CHECK_EQ(dx_hbtp_out_init(&out, NULL, 10), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, DX_HBTP_OP_PING, 0, 0, NULL, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_out_init(NULL, memory, 10), DX_HBTP_EINVAL);
}

DX_TEST(p13_reset_empties_and_keeps_the_memory)
{
    uint8_t memory[100], payload[200] = {0};
    size_t size;
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (int round = 0; round < 5; round++) {
        int count = 0;
        DX_CHECK_EQ(dx_hbtp_write_pong(&out, 0, payload, 93), DX_HBTP_ENOSPACE);
        DX_CHECK_EQ(dx_hbtp_write_pong(&out, 0, payload, sizeof payload), DX_HBTP_ENOSPACE);
        while (!dx_hbtp_write_pong(&out, 0, payload, (size_t)round)) count++;
        DX_CHECK_EQ(count, 100 / (8 + round));
        DX_CHECK(dx_hbtp_out_data(&out, &size) == memory);
        DX_CHECK_EQ(size, (size_t)count * (8 + (size_t)round));
        dx_hbtp_out_reset(&out);
        DX_CHECK(dx_hbtp_out_data(&out, &size) == memory);
        DX_CHECK_EQ(size, 0);
        DX_CHECK_EQ(dx_hbtp_write_pong(&out, 0, payload, 92), 0);
        dx_hbtp_out_reset(&out);
    }
}

DX_TEST(hb_9_payloads_that_lie_in_the_buffer_are_not_copied)
{
    uint8_t memory[64], data[16];
    size_t size;
    dx_hbtp_out out;
    dx_hbtp_frame f;
    dx_hbtp_file_chunk k, back;
    memset(data, 'r', sizeof data);
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (int which = 0; which < 4; which++) {
        static const size_t before[] = {0, 1, 2, DX_HBTP_FILE_CHUNK_PREFIX};
        dx_hbtp_out_reset(&out);
        if (which & 1) DX_CHECK_EQ(dx_hbtp_write_pong(&out, 0, NULL, 0), 0);
        const size_t begin = out.used_;
        uint8_t *p = dx_hbtp_out_next(&out) + before[which];
        DX_CHECK(p == memory + begin + 8 + before[which]);
        memset(p, 'r', 12);
        k.transfer = 3;
        k.offset = 4;
        k.data = p;
        k.data_size = 12;
        k.final = true;
        if (which == 0) DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 1, p, 12), 0);
        if (which == 1) DX_CHECK_EQ(dx_hbtp_write_rpc_call(&out, 1, 9, p, 12), 0);
        if (which == 2) DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x1234, 0, 1, p, 12), 0);
        if (which == 3) DX_CHECK_EQ(dx_hbtp_write_file_chunk(&out, 1, &k), 0);
        const uint8_t *bytes = dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(dx_hbtp_parse(bytes + begin, size - begin, 100, &f), size - begin);
        DX_CHECK_EQ(f.payload_size, 12 + before[which]);
        DX_CHECK_MEM(f.payload + before[which], data, 12);
        if (which == 3) DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &back), 0);
    }
    dx_hbtp_out_reset(&out);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 1, data, 16), 0);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 2, data, 16), 0);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 3, data, 9), DX_HBTP_ENOSPACE);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 3, data, 8), 0);
    DX_CHECK_EQ(dx_hbtp_write_rpc_response(&out, 3, NULL, 0), DX_HBTP_ENOSPACE);
    DX_CHECK_EQ(dx_hbtp_out_consume(&out, 65), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_out_consume(&out, 20), 0); /* less than the rest: it is not moved */
    DX_CHECK_EQ(dx_hbtp_out_room(&out), 0);
    DX_CHECK_EQ(dx_hbtp_out_consume(&out, 40), 0);
    DX_CHECK_EQ(dx_hbtp_out_room(&out), 60);
    DX_CHECK_EQ(dx_hbtp_out_consume(&out, 4), 0);
    DX_CHECK_EQ(dx_hbtp_out_room(&out), 64);
}

#if SIZE_MAX > 0xffffffffu
DX_TEST(hb_6_payloads_of_4_gib_are_refused_by_the_writers)
{
    uint8_t memory[64] = {0};
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    const size_t over = (size_t)UINT32_MAX + 1;
    DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, memory, over), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, memory, over - 1), DX_HBTP_ENOSPACE);
    DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, memory, SIZE_MAX), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_rpc_call(&out, 1, 1, memory, over - 1), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_rpc_call(&out, 1, 1, memory, SIZE_MAX), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_frame(&out, 0x100, 0, 1, memory, over - 2), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(dx_hbtp_write_pong(&out, 1, NULL, 1), DX_HBTP_EINVAL);
}
#endif

DX_PROPERTY(hb_9_random_writes_and_partial_sends_lose_nothing, 300)
{
    static uint8_t want[BIG], got[BIG];
    uint8_t memory[200], one[512];
    size_t want_size = 0, got_size = 0, size;
    dx_hbtp_out out, alone;
    dx_hbtp_out_init(&out, memory, (size_t)dx_choose_range(c, 1, sizeof memory));
    for (uint64_t ops = dx_choose(c, 200); ops; ops--) {
        const uint8_t *p;
        if (dx_choose(c, 1)) {
            int which = (int)dx_choose(c, WRITERS - 1);
            size_t room = dx_hbtp_out_room(&out);
            dx_hbtp_out_init(&alone, one, sizeof one);
            write_one(&alone, which);
            p = dx_hbtp_out_data(&alone, &size);
            int error = write_one(&out, which);
            DX_CHECK_EQ(error, size > room ? DX_HBTP_ENOSPACE : 0);
            if (error) continue;
            memcpy(want + want_size, p, size);
            want_size += size;
        } else {
            p = dx_hbtp_out_data(&out, &size);
            size = (size_t)dx_choose(c, size);
            memcpy(got + got_size, p, size);
            got_size += size;
            DX_CHECK_EQ(dx_hbtp_out_consume(&out, size), 0);
        }
    }
    const uint8_t *p = dx_hbtp_out_data(&out, &size);
    memcpy(got + got_size, p, size);
    DX_CHECK_EQ(got_size + size, want_size);
    DX_CHECK_MEM(got, want, want_size);
}

/* >>file chunk --------------------------------------------------------- */
DX_TEST(am_3_file_chunk_round_trip_at_every_size_and_every_flip)
{
    uint8_t memory[256], data[64];
    for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    for (uint32_t n = 0; n <= sizeof data; n++) {
        size_t size;
        dx_hbtp_out out;
        dx_hbtp_frame f;
        dx_hbtp_file_chunk k, back;
        memset(&k, 0, sizeof k);
        k.transfer = 0xfedcba98u;
        k.offset = UINT64_MAX - n;
        k.data = data;
        k.data_size = n;
        k.final = n & 1;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        DX_CHECK_EQ(dx_hbtp_write_file_chunk(&out, 5, &k), 0);
        dx_hbtp_out_data(&out, &size);
        DX_CHECK_EQ(size, 24 + n);
        DX_CHECK_EQ(dx_hbtp_parse(exact(memory, size), size, 1000, &f), (int64_t)size);
        DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &back), 0);
        DX_CHECK(back.transfer == k.transfer && back.offset == k.offset);
        DX_CHECK(back.data_size == n && back.final == k.final && back.data == f.payload + 16);
        DX_CHECK_MEM(back.data, data, n);
        for (size_t bit = 0; bit < (16 + n) * 8; bit++) {
            uint8_t bad[128];
            memcpy(bad, memory + 8, 16 + n);
            bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            f.payload = bad;
            int error = dx_hbtp_parse_file_chunk(&f, &back);
            bool covered = (bit >= 32 && bit < 64) || bit >= 128; /* the CRC and the data */
            DX_CHECK(covered ? error == DX_HBTP_ECORRUPT
                             : !error || error == DX_HBTP_ECORRUPT);
            if (!error) DX_CHECK(back.data_size <= UINT64_MAX - back.offset);
        }
    }
}

DX_TEST(am_3_file_chunk_refusals)
{
    uint8_t frame[64], body[17] = {0};
    dx_hbtp_frame f;
    dx_hbtp_file_chunk k;
    for (size_t n = 0; n <= 16; n++) {
        size_t size = raw_frame(frame, 0x51, 0, 1, body, n);
        DX_CHECK_EQ(dx_hbtp_parse(frame, size, 100, &f), (int64_t)size);
        DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &k), n < 16 ? DX_HBTP_ETRUNCATED : 0);
    }
    f.flags = DX_HBTP_FLAG_COMPRESSED;
    DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &k), DX_HBTP_EINVAL);
    f.flags = 0;
    f.opcode = DX_HBTP_OP_BINARY_BLOB;
    DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &k), DX_HBTP_EINVAL);
    memset(body, 0xff, 16); /* offset 2^64-1 and one byte of data */
    size_t size = raw_frame(frame, 0x51, 0, 1, body, 17);
    DX_CHECK_EQ(dx_hbtp_parse(frame, size, 100, &f), (int64_t)size);
    DX_CHECK_EQ(dx_hbtp_parse_file_chunk(&f, &k), DX_HBTP_ECORRUPT);
}

/* >>router ------------------------------------------------------------- */
DX_TEST(hb_7_router_register_replace_remove_all_slots)
{
    static dx_hbtp_router router;
    int a = 0, b = 0;
    DX_CHECK_EQ(dx_hbtp_router_init(NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_router_init(&router), 0);
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t op = (uint8_t)i;
        const bool own = i == 0x01 || i == 0x02 || i == 0x31 || i == 0x32;
        dx_hbtp_handler_fn *first = router.opcodes_[i].fn;
        DX_CHECK(first != NULL && router.methods_[i].fn != NULL);
        dx_hbtp_handler_fn *first_method = router.methods_[i].fn;
        DX_CHECK_EQ(dx_hbtp_router_set(&router, op, echo, &a), own ? DX_HBTP_EINVAL : 0);
        DX_CHECK_EQ(dx_hbtp_router_set_method(&router, op, echo, &a), 0);
        DX_CHECK_EQ(dx_hbtp_router_set_method(&router, op, log_frame, &b), 0);
        DX_CHECK(router.methods_[i].fn == log_frame && router.methods_[i].user == &b);
        if (!own) {
            DX_CHECK_EQ(dx_hbtp_router_set(&router, op, log_frame, &b), 0);
            DX_CHECK(router.opcodes_[i].fn == log_frame && router.opcodes_[i].user == &b);
            DX_CHECK_EQ(dx_hbtp_router_set(&router, op, NULL, NULL), 0);
        }
        DX_CHECK(router.opcodes_[i].fn == first);
        DX_CHECK_EQ(dx_hbtp_router_set_method(&router, op, NULL, NULL), 0);
        DX_CHECK(router.methods_[i].fn == first_method);
    }
}

/* >>session ------------------------------------------------------------ */
DX_TEST(session_descriptor_is_checked)
{
    dx_hbtp_session_desc d;
    dx_hbtp_session s;
    dx_hbtp_out out, small;
    uint8_t memory[DX_HBTP_OUT_MIN];
    uint64_t room[64 * 3 + 1];
    memset(&d, 0, sizeof d);
    DX_CHECK_EQ(dx_hbtp_session_memory_size(NULL), 0);
    DX_CHECK_EQ(dx_hbtp_session_memory_size(&d), 1048576 + 12 + 64 * sizeof(struct dx_hbtp_p_slot));
    d.outstanding_max = DX_HBTP_OUTSTANDING_MAX + 1;
    DX_CHECK_EQ(dx_hbtp_session_memory_size(&d), 0);
    d.outstanding_max = 0;
    d.in_place = true;
    d.memory_size = dx_hbtp_session_memory_size(&d);
    DX_CHECK_EQ(d.memory_size, 64 * sizeof(struct dx_hbtp_p_slot));
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), DX_HBTP_EINVAL); /* no memory */
    d.memory = room;
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), DX_HBTP_EINVAL); /* no response buffer */
    dx_hbtp_out_init(&small, memory, DX_HBTP_OUT_MIN - 1);
    dx_hbtp_out_init(&out, memory, DX_HBTP_OUT_MIN);
    d.out = &small;
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), DX_HBTP_EINVAL);
    d.out = &out;
    d.memory_size--;
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), DX_HBTP_ENOMEM);
    d.memory_size++;
    d.memory = (uint8_t *)room + 1;
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), DX_HBTP_EINVAL); /* not aligned */
    d.memory = room;
    DX_CHECK_EQ(dx_hbtp_session_init(&s, &d), 0);
    DX_CHECK_EQ(dx_hbtp_session_set_out(&s, &small), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_session_set_out(&s, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_feed(&s, NULL, 1, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_feed(NULL, "", 0, 0), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_feed(&s, NULL, 0, 0), 0);
    DX_CHECK_EQ(s.need, 8);
    DX_CHECK(sizeof(dx_hbtp_session) <= 536); /* 448 of them for version 1 */
}

DX_TEST(hb_15_ping_is_answered_without_a_handler)
{
    rig *r = plain_rig(0, 100);
    uint8_t ping[256], pong[256], payload[100];
    memset(payload, 'p', sizeof payload);
    for (size_t n = 0; n <= 100; n++) {
        size_t size = raw_frame(ping, 0x00, 0x04, 0xabcd, payload, n);
        DX_CHECK_EQ(feed_all(r, ping, size), 0);
        check_sent(r, pong, raw_frame(pong, 0x01, 0, 0xabcd, payload, n));
    }
    DX_CHECK_EQ(r->s.counters.frames, 101);
}

DX_TEST(a_ping_that_no_pong_can_answer_is_refused)
{
    rig *r = fresh(0);
    static uint8_t ping[600];
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    start(r, &d, 256);
    size_t size = raw_frame(ping, 0, 0, 3, ping + 300, 244); /* 244 + 8 + room for a checksum = 256 */
    DX_CHECK_EQ(feed_all(r, ping, size), 0);
    DX_CHECK_EQ(r->sent_size, 252);
    r->sent_size = 0;
    size = raw_frame(ping, 0, 0, 3, ping + 300, 245);
    DX_CHECK_EQ(feed_all(r, ping, size), 0);
    check_sent_error(r, 3, 413);
}

DX_TEST(error_table_route_not_found_is_404)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    uint32_t count = 0;
    for (unsigned op = 0; op < 256; op++) {
        const bool handled = op <= 2 || (op >= 0x30 && op <= 0x32) || op == 0xff;
        if (!dx_hbtp_opcode_is_defined((uint16_t)op) || handled) continue;
        const bool chunk = op == 0x34 || op == 0x35; /* stream frames: never requests */
        for (unsigned flags = 0; flags <= 4; flags += 4) {
            DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, op, flags, op + 1, "xx", 2)), 0);
            if (!chunk && (flags || op == 0x33)) check_sent_error(r, op + 1, 404);
            DX_CHECK_EQ(r->sent_size, 0);
            DX_CHECK_EQ(r->events[DX_HBTP_EVENT_NO_ROUTE], ++count);
        }
    }
    DX_CHECK_EQ(count, 46);
    for (unsigned method = 0; method < 256; method++) {
        uint8_t m = (uint8_t)method;
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 9, &m, 1)), 0);
        check_sent_error(r, 9, 404);
    }
    DX_CHECK_EQ(r->s.counters.events[DX_HBTP_EVENT_NO_ROUTE], count + 256);
}

DX_TEST(w_38_error_table_unknown_opcode_is_counted_and_a_request_is_answered)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    uint32_t count = 0;
    for (unsigned op = 0; op < 256; op++) {
        if (dx_hbtp_opcode_is_defined((uint16_t)op)) continue;
        size_t size = raw_frame(frame, op, 0, 1, "junk", 4);
        size += raw_frame(frame + size, 0, 0, 2, NULL, 0);
        DX_CHECK_EQ(feed_all(r, frame, size), 0);
        DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNKNOWN_OPCODE], ++count);
        DX_CHECK_EQ(r->sent_size, 8); /* the Pong, nothing else */
        r->sent_size = 0;
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, op, 4, 1, "junk", 4)), 0);
        DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNKNOWN_OPCODE], ++count);
        check_sent_error(r, 1, 404);
    }
    DX_CHECK_EQ(count, 2 * 226);
    DX_CHECK_EQ(r->s.counters.events[DX_HBTP_EVENT_UNKNOWN_OPCODE], count);
}

DX_TEST(error_table_invalid_payload_is_an_rpc_error_and_the_connection_goes_on)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    int result = 0;
    static const struct { int result; unsigned status; } cases[] = {
        {DX_HBTP_EINVAL, 400}, {DX_HBTP_ECORRUPT, 400}, {DX_HBTP_ETRUNCATED, 400},
        {DX_HBTP_ENOTFOUND, 404}, {DX_HBTP_ETIMEDOUT, 408}, {DX_HBTP_ETOOBIG, 413},
        {DX_HBTP_ENOTSUP, 415}, {DX_HBTP_EVERSION, 415}, {DX_HBTP_ESYS, 500},
        {DX_HBTP_ENOMEM, 500}, {DX_HBTP_ENOSPACE, 500}, {DX_HBTP_ECANCELED, 500}, {-1000, 500},
        {400, 400}, {401, 401}, {429, 429}, {503, 503}, {599, 599}, {600, 500},
        {399, 500}, {2, 500}};
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 5, NULL, 0)), 0); /* no method */
    check_sent_error(r, 5, 400);
    for (unsigned n = 0; n < 2; n++) { /* Extended too short */
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0xff, 4, 6, "x", n)), 0);
        check_sent_error(r, 6, 400);
    }
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0xff, 4, 6, "\xff\0", 2)), 0);
    check_sent_error(r, 6, 400);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0xff, 0, 6, "\xff\0", 2)), 0);
    DX_CHECK_EQ(r->sent_size, 0); /* no request: no answer is due */
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_FAILED], 5);
    dx_hbtp_router_set_method(&r->router, 1, answer_user, &result);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        result = cases[i].result;
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 7, "\1", 1)), 0);
        check_sent_error(r, 7, cases[i].status);
    }
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0, 0, 1, NULL, 0)), 0);
    DX_CHECK_EQ(r->sent_size, 8);
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_INPUT);
}

DX_TEST(error_table_invalid_header_is_replied_to_and_closes)
{
    uint8_t frame[64];
    rig *r = plain_rig(0, 10);
    size_t size = raw_frame(frame, 0x30, 4, 7, "\1" "1234567890", 11);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, 7, 0), 7);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame + 7, 1, 0), DX_HBTP_ETOOBIG); /* with the header */
    check_sent_failure(r, 7, 413);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame + 8, size - 8, 0), DX_HBTP_ETOOBIG);
    DX_CHECK_EQ(r->s.error, DX_HBTP_ETOOBIG);

    r = plain_rig(0, 10); /* a checksum that is wrong */
    size = raw_frame(frame, 0x30, 0x14, 7, "\1", 1);
    frame[size - 1] ^= 1;
    DX_CHECK_EQ(feed_all(r, frame, size), DX_HBTP_ECORRUPT);
    check_sent_failure(r, 7, 400);

    r = plain_rig(0, 10); /* an answer is never answered, but the session ends the same way */
    size = raw_frame(frame, 0x31, 0x10, 7, "\1", 1);
    frame[size - 1] ^= 1;
    DX_CHECK_EQ(feed_all(r, frame, size), DX_HBTP_ECORRUPT);
    check_sent_failure(r, -1, 400);
}

DX_TEST(hb_4_reserved_flags_by_policy)
{
    for (unsigned flag = 0x20; flag <= 0x80; flag *= 2)
        for (int reject = 0; reject < 2; reject++) {
            rig *r = fresh(0);
            uint8_t frame[64];
            dx_hbtp_session_desc d;
            memset(&d, 0, sizeof d);
            d.reject_unknown_flags = reject != 0;
            start(r, &d, 0);
            dx_hbtp_router_set(&r->router, 0x40, log_frame, NULL);
            size_t size = raw_frame(frame, 0x40, flag, 7, "e", 1);
            DX_CHECK_EQ(feed_all(r, frame, size), reject ? DX_HBTP_EHEADER : 0);
            DX_CHECK_EQ(r->calls, !reject);
            if (reject) check_sent_failure(r, -1, 400);
            else DX_CHECK_MEM(r->log, frame, size); /* passed on with the bit */
        }
}

DX_TEST(hb_4_a_required_checksum_closes_without_it)
{
    rig *r = fresh(0);
    uint8_t frame[64];
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.require_checksum = true;
    start(r, &d, 0);
    dx_hbtp_out_set_checksum(&r->out, true);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0, 0x10, 7, "e", 1)), 0);
    uint8_t pong[64];
    check_sent(r, pong, raw_frame(pong, 1, 0x10, 7, "e", 1));
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0, 0, 7, "e", 1)), DX_HBTP_EHEADER);
    DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
}

DX_TEST(w_38_opaque_payloads_without_a_codec_are_refused)
{
    for (unsigned flags = 1; flags < 4; flags++)
        for (unsigned op = 0; op < 256; op++) {
            rig *r = plain_rig(0, 100);
            uint8_t frame[64];
            const bool answer = op == 0x01 || op == 0x31 || op == 0x32;
            dx_hbtp_router_set_method(&r->router, 1, log_frame, NULL);
            if (!answer && op != 2) dx_hbtp_router_set(&r->router, (uint8_t)op, log_frame, NULL);
            DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, op, flags | 4, 7, "\1\2", 2)),
                        op == 2 ? 10 : 0);
            DX_CHECK_EQ(r->calls, 0);
            if (op == 2) DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
            else if (answer || op == 0x34 || op == 0x35) DX_CHECK_EQ(r->sent_size, 0);
            else check_sent_error(r, 7, 415);
            DX_CHECK_EQ(r->events[DX_HBTP_EVENT_REFUSED], !answer && op != 2);
        }
}

DX_TEST(hb_5_http_text_first_closes)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "POST /a HTTP/1.1\r\n\r\n",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                        "SSH-2.0-OpenSSH_9.2\r\n",
                                        "<html><body>503</body></html>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rig *r = plain_rig(0, 65536);
        DX_CHECK(feed_all(r, (const uint8_t *)texts[i], strlen(texts[i])) < 0);
        DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
        DX_CHECK(r->sent_size > 0);
    }
}

DX_TEST(hb_8_extended_frames_reach_the_slot_with_their_opcode)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    size_t size = raw_frame(frame, 0xff, 0, 3, "\x41\x80zz", 4);
    DX_CHECK_EQ(feed_all(r, frame, size), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNKNOWN_OPCODE], 1);
    DX_CHECK_EQ(r->sent_size, 0);
    frame[1] = 4; /* a request is answered, known or not */
    DX_CHECK_EQ(feed_all(r, frame, size), 0);
    check_sent_error(r, 3, 404);
    frame[1] = 0;
    dx_hbtp_router_set(&r->router, 0xff, log_frame, NULL);
    DX_CHECK_EQ(feed_all(r, frame, size), 0);
    DX_CHECK_EQ(r->calls, 1);
    DX_CHECK_EQ(r->log_size, 10);
    DX_CHECK_EQ(r->log[0], 0x41); /* the low byte of 8041h */
    DX_CHECK_MEM(r->log + 8, "zz", 2);
}

DX_TEST(hb_5_whole_frames_are_handed_out_in_place_and_others_collected)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    size_t size = raw_frame(frame, 0x50, 0, 0, "in place", 8);
    dx_hbtp_router_set(&r->router, 0x50, log_frame, NULL);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), (int64_t)size);
    DX_CHECK(r->last_payload == frame + 8);
    for (size_t cut = 1; cut < size; cut++) {
        r->last_payload = NULL;
        DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, cut, 0), (int64_t)cut);
        DX_CHECK(r->last_payload == NULL); /* W-36: nothing is dispatched before it is complete */
        DX_CHECK_EQ(r->s.need, cut < 8 ? 8 : size);
        DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame + cut, size - cut, 0), (int64_t)(size - cut));
        DX_CHECK(r->last_payload >= (uint8_t *)r->memory);
    }
    DX_CHECK_EQ(r->calls, size);
}

DX_TEST(hb_5_in_place_sessions_leave_an_incomplete_frame_where_it_is)
{
    rig *r = fresh(0);
    uint8_t frame[64];
    size_t size = raw_frame(frame, 0x50, 0, 0, "in place", 8);
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.in_place = true;
    start(r, &d, 0);
    dx_hbtp_router_set(&r->router, 0x50, log_frame, NULL);
    memcpy(frame + size, frame, size);
    for (size_t n = 0; n < size; n++) {
        DX_CHECK_EQ(dx_hbtp_feed(&r->s, exact(frame, n), n, 0), 0);
        DX_CHECK_EQ(r->s.need, n < 8 ? 8 : size);
        DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_INPUT);
    }
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, 2 * size - 1, 0), (int64_t)size);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame + size, size, 0), (int64_t)size);
    DX_CHECK_EQ(r->calls, 2);
}

DX_TEST(hb_6_payload_limit_just_below_and_above_at_every_split)
{
    for (uint32_t limit = 1; limit < 20; limit++)
        for (int over = 0; over < 2; over++) {
            uint8_t frame[64], payload[32] = {0};
            size_t size = raw_frame(frame, 0x50, 0, 0, payload, limit + (unsigned)over);
            for (size_t cut = 0; cut <= size; cut++) {
                rig *r = plain_rig(0, limit);
                dx_hbtp_router_set(&r->router, 0x50, log_frame, NULL);
                int64_t a = dx_hbtp_feed(&r->s, frame, cut, 0);
                int64_t b = a < 0 ? a : dx_hbtp_feed(&r->s, frame + cut, size - cut, 0);
                DX_CHECK_EQ(b < 0, over);
                DX_CHECK_EQ(r->calls, !over);
            }
        }
}

DX_TEST(frames_per_feed_are_limited)
{
    rig *r = fresh(0);
    static uint8_t frames[8 * 10];
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.frames_max = 4;
    start(r, &d, 0);
    for (size_t i = 0; i < 10; i++) raw_frame(frames + 8 * i, 0x7f, 0, 0, NULL, 0);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frames, 32, 0), 32);
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_INPUT);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frames, 80, 0), 32);
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_TURN);
    DX_CHECK_EQ(feed_all(r, frames + 32, 48), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNKNOWN_OPCODE], 14);
}

DX_TEST(back_pressure_stops_before_the_frame_and_loses_nothing)
{
    rig *r = fresh(0);
    static uint8_t pings[12 * 40];
    size_t at = 0, rounds = 0;
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    start(r, &d, 256); /* Pongs of 12 bytes, only while 64 bytes are free: seventeen at a time */
    for (unsigned i = 0; i < 40; i++) raw_frame(pings + 12 * i, 0, 0, i, "ping", 4);
    while (at < sizeof pings) {
        int64_t used = dx_hbtp_feed(&r->s, pings + at, sizeof pings - at, 0);
        DX_CHECK_EQ(used, sizeof pings - at < 204 ? sizeof pings - at : 204);
        at += (size_t)used;
        if (at < sizeof pings) {
            DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_OUTPUT);
            DX_CHECK_EQ(dx_hbtp_feed(&r->s, pings + at, sizeof pings - at, 0), 0);
        }
        drain(r, SIZE_MAX);
        rounds++;
    }
    DX_CHECK_EQ(rounds, 3);
    for (unsigned i = 0; i < 40; i++) raw_frame(pings + 12 * i, 1, 0, i, "ping", 4);
    check_sent(r, pings, sizeof pings);
}

DX_TEST(back_pressure_a_handler_without_room_is_called_again)
{
    rig *r = fresh(0);
    uint8_t frame[256], payload[121], want[256];
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    memset(payload, 1, sizeof payload);
    start(r, &d, 256);
    dx_hbtp_router_set_method(&r->router, 1, echo, NULL);
    size_t size = raw_frame(frame, 0x30, 4, 5, payload, sizeof payload);
    size_t reply = raw_frame(want, 0x31, 0, 5, payload, 120);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), (int64_t)size); /* 128 of 256 */
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), (int64_t)size); /* the room reserved for answers */
    drain(r, reply);
    r->sent_size = 0;
    DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 0, payload, 1), DX_HBTP_ENOSPACE); /* is only for answers */
    drain(r, SIZE_MAX);
    r->sent_size = 0;
    r->calls = 1;
    r->s.counters.frames = 1;
    payload[0] = 2;
    raw_frame(frame, 0x30, 4, 5, payload, sizeof payload);
    dx_hbtp_router_set_method(&r->router, 2, answer_at_length, NULL);
    DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 0, payload, 0), 0);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), 0); /* 256 are needed */
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_OUTPUT);
    DX_CHECK_EQ(r->calls, 2);
    DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 0, NULL, 0), DX_HBTP_ENOSPACE); /* it is first now */
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), (int64_t)size);
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(r->sent_size, 8 + 256);
    r->sent_size = 0;
    payload[0] = 1;
    raw_frame(frame, 0x30, 4, 5, payload, sizeof payload);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, 50, 0), 50); /* the same with a collected frame */
    for (int i = 0; i < 2; i++) DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 0, payload, 56), 0);
    r->out.limit_ = 256;
    DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 0, NULL, 0), 0); /* as answers would */
    r->out.limit_ = 128;
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame + 50, size - 50, 0), (int64_t)size - 50);
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_OUTPUT);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, NULL, 0, 0), 0); /* still no room */
    drain(r, SIZE_MAX);
    r->sent_size = 0;
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, NULL, 0, 0), 0);
    DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_INPUT);
    check_sent(r, want, reply);
    DX_CHECK_EQ(r->s.counters.frames, 3);
}

DX_TEST(a_handler_may_say_again)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    int result = DX_HBTP_EAGAIN;
    dx_hbtp_router_set_method(&r->router, 1, answer_user, &result);
    size_t size = raw_frame(frame, 0x30, 4, 5, "\1", 1);
    for (int i = 0; i < 3; i++) {
        DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), 0);
        DX_CHECK_EQ(r->s.state, DX_HBTP_WANTS_TURN);
    }
    result = 0;
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frame, size, 0), (int64_t)size);
    DX_CHECK_EQ(r->calls, 4);
    DX_CHECK_EQ(r->s.counters.frames, 1);
}

static int write_then_fail(const dx_hbtp_context *c)
{
    rig *r = (rig *)c->session->desc.user;
    r->calls++;
    DX_CHECK_EQ(dx_hbtp_write_pong(c->out, 99, "never seen", 10), 0);
    if (r->reply == -2) memset(dx_hbtp_out_next(c->out), 1, 4);
    return *(int *)c->user;
}

DX_TEST(what_a_failing_handler_wrote_is_dropped)
{
    static const int results[] = {500, 401, DX_HBTP_EINVAL, DX_HBTP_EAGAIN, DX_HBTP_ENOSPACE};
    for (size_t i = 0; i < 5; i++)
        for (int open = 0; open < 2; open++) {
            rig *r = plain_rig(0, 100);
            uint8_t frame[64], before[64];
            int result = results[i];
            dx_hbtp_router_set_method(&r->router, 1, write_then_fail, &result);
            r->reply = open ? -2 : 0;
            size_t size = raw_frame(frame, 0x30, 4, 5, "\1", 1);
            size_t kept = raw_frame(before, 0x01, 0, 1, "kept", 4);
            DX_CHECK_EQ(dx_hbtp_write_pong(&r->out, 1, "kept", 4), 0);
            int64_t used = dx_hbtp_feed(&r->s, frame, size, 0);
            DX_CHECK_EQ(used, i < 3 ? (int64_t)size : 0);
            drain(r, SIZE_MAX);
            DX_CHECK_MEM(r->sent, before, kept);
            DX_CHECK_EQ(r->sent_size > kept, i < 3);
            DX_CHECK_EQ(r->sent[kept], i < 3 ? 0x32 : 0);
        }
}

static int feed_inside(const dx_hbtp_context *c)
{
    return (int)dx_hbtp_feed(c->session, NULL, 0, 0);
}

DX_TEST(feed_inside_a_handler_is_refused)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    dx_hbtp_router_set_method(&r->router, 1, feed_inside, NULL);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 5, "\1", 1)), 0);
    check_sent_error(r, 5, 400);
}

DX_TEST(close_ends_dispatch_and_is_answered_once)
{
    rig *r = plain_rig(0, 100);
    uint8_t frames[64], want[8];
    size_t size = raw_frame(frames, 0x02, 0x08, 0, NULL, 0);
    size += raw_frame(frames + size, 0x02, 0x08, 0, NULL, 0); /* a second FINAL */
    size += raw_frame(frames + size, 0x00, 0, 1, NULL, 0);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frames, size, 0), 8);
    DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
    DX_CHECK_EQ(r->s.error, 0);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frames + 8, size - 8, 0), DX_HBTP_ECANCELED);
    check_sent(r, want, raw_frame(want, 0x02, 0x08, 0, NULL, 0));
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_CLOSED], 1);
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 1, NULL, NULL), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_close(&r->s, 0, NULL), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 1, NULL, 0), DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1000), UINT64_MAX);
}

DX_TEST(close_from_here_cancels_what_waits)
{
    rig *r = plain_rig(0, 100);
    int ended[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++)
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 50, &ended[i], NULL), 0);
    DX_CHECK_EQ(r->s.waiting, 3);
    DX_CHECK_EQ(dx_hbtp_close(&r->s, 503, NULL), 0);
    DX_CHECK_EQ(r->last_error, DX_HBTP_ECANCELED);
    DX_CHECK(ended[0] == 1 && ended[1] == 1 && ended[2] == 1);
    dx_hbtp_abort(&r->s); /* again: nothing */
    DX_CHECK_EQ(r->results, 3);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_CLOSED], 1);
}

static int close_inside(const dx_hbtp_context *c)
{
    return dx_hbtp_close(c->session, 503, "enough");
}

DX_TEST(a_handler_may_close)
{
    rig *r = plain_rig(0, 100);
    uint8_t frames[64];
    size_t first = raw_frame(frames, 0x30, 4, 5, "\1", 1);
    size_t size = first + raw_frame(frames + first, 0, 0, 1, NULL, 0);
    dx_hbtp_router_set_method(&r->router, 1, close_inside, NULL);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, frames, size, 0), (int64_t)first);
    DX_CHECK_EQ(r->s.state, DX_HBTP_CLOSED);
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(r->sent_size, 8 + 4 + 6);
}

DX_TEST(answers_later_and_the_limit_of_pending_requests)
{
    rig *r = fresh(0);
    uint8_t frame[64], want[64];
    int later = DX_HBTP_LATER;
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.pending_max = 3;
    start(r, &d, 0);
    dx_hbtp_router_set_method(&r->router, 1, answer_user, &later);
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 1, NULL, 0), DX_HBTP_ENOTFOUND);
    for (unsigned i = 1; i <= 3; i++)
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, i, "\1", 1)), 0);
    DX_CHECK_EQ(r->sent_size, 0);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 4, "\1", 1)), 0);
    check_sent_error(r, 4, 429);
    DX_CHECK_EQ(r->calls, 3);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x10, 4, 4, "\1", 1)), 0);
    check_sent_error(r, 4, 429); /* any request */
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x00, 4, 4, NULL, 0)), 0);
    check_sent(r, want, raw_frame(want, 0x01, 0, 4, NULL, 0)); /* but a Ping is not one */
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 2, "two", 3), 0); /* in any order */
    check_sent(r, want, raw_frame(want, 0x31, 0, 2, "two", 3));
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x30, 4, 5, "\1", 1)), 0);
    DX_CHECK_EQ(r->calls, 4);
    DX_CHECK_EQ(dx_hbtp_reply_error(&r->s, 1, 500, NULL), 0);
    check_sent_error(r, 1, 500);
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 3, NULL, 0), 0);
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 5, NULL, 0), 0);
    DX_CHECK_EQ(dx_hbtp_reply(&r->s, 5, NULL, 0), DX_HBTP_ENOTFOUND);
}

/* >>requests ----------------------------------------------------------- */
DX_TEST(hb_10_answers_late_duplicate_unasked_and_mismatched)
{
    rig *r = plain_rig(0, 100);
    uint8_t frame[64];
    uint16_t seq = 0, ping = 0;
    int ended = 0;
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 3, "a", 1, 100, &ended, &seq), 0);
    DX_CHECK_EQ(seq, 1);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, 2, "x", 1)), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNASKED], 1);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, 0, "x", 1)), 0);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, 65, "x", 1)), 0); /* same slot */
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x01, 0, 1, "x", 1)), 0);  /* Pong for a call */
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNASKED], 4);
    DX_CHECK_EQ(ended, 0);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, 1, "x", 1)), 0);
    DX_CHECK(ended == 1 && r->last_error == 0);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, 1, "x", 1)), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_DUPLICATE], 1);
    DX_CHECK_EQ(ended, 1);

    DX_CHECK_EQ(dx_hbtp_call(&r->s, 3, "a", 1, 100, &ended, &seq), 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 99), 100);
    DX_CHECK_EQ(ended, 1);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 100), UINT64_MAX);
    DX_CHECK(ended == 2 && r->last_error == DX_HBTP_ETIMEDOUT);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 101), UINT64_MAX);
    DX_CHECK_EQ(ended, 2);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, seq, "x", 1)), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_LATE], 1);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, seq, "x", 1)), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_DUPLICATE], 2);

    DX_CHECK_EQ(dx_hbtp_request(&r->s, 0, 0, "p", 1, 200, &ended, &ping), 0);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, ping, "x", 1)), 0); /* not a Pong */
    DX_CHECK_EQ(ended, 2);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x01, 0, ping, "p", 1)), 0);
    DX_CHECK(ended == 3 && r->last_error == 0);

    DX_CHECK_EQ(dx_hbtp_call(&r->s, 3, "a", 1, 100, &ended, &seq), 0);
    DX_CHECK_EQ(dx_hbtp_cancel(&r->s, (uint16_t)(seq + 1)), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_cancel(&r->s, seq), 0);
    DX_CHECK(ended == 4 && r->last_error == DX_HBTP_ECANCELED);
    DX_CHECK_EQ(dx_hbtp_cancel(&r->s, seq), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x32, 0, seq, "\x94\1\0\0", 4)), 0);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_LATE], 2);
    DX_CHECK_EQ(r->results, 4);
}

DX_TEST(hb_10_answers_that_say_no_or_cannot_be_read)
{
    static const struct {
        unsigned op, flags;
        const char *body;
        size_t size;
        int error, status;
    } v[] = {
        {0x32, 0, "\x94\x01\0\0gone", 8, DX_HBTP_EREMOTE, 404},
        {0x32, 0, "\xf4\x01\0\0", 4, DX_HBTP_EREMOTE, 500},
        {0x32, 0, "\x94\x01\0", 3, DX_HBTP_ETRUNCATED, 0},
        {0x32, 0, "", 0, DX_HBTP_ETRUNCATED, 0},
        {0x32, 0, "\x94\x01\1\0", 4, DX_HBTP_ECORRUPT, 0},
        {0x31, 1, "zz", 2, DX_HBTP_ENOTSUP, 0},
        {0x31, 2, "zz", 2, DX_HBTP_ENOTSUP, 0},
        {0x32, 2, "zz", 2, DX_HBTP_ENOTSUP, 0},
        {0x31, 0, "", 0, 0, 0}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        rig *r = plain_rig(0, 100);
        uint8_t frame[64];
        uint16_t seq;
        int ended = 0;
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 3, "a", 1, 100, &ended, &seq), 0);
        drain(r, SIZE_MAX);
        size_t size = raw_frame(frame, v[i].op, v[i].flags, seq, v[i].body, v[i].size);
        DX_CHECK_EQ(feed_all(r, frame, size), 0);
        DX_CHECK_EQ(ended, 1);
        DX_CHECK_EQ(r->last_error, v[i].error);
        DX_CHECK_EQ(r->last_status, v[i].status);
        DX_CHECK_EQ(r->sent_size, 8 + 2); /* the call; an answer is never answered */
    }
}

DX_TEST(hb_10_outstanding_limit_just_below_and_above)
{
    for (uint32_t limit = 1; limit < 10; limit++) {
        rig *r = fresh(0);
        uint8_t frame[64];
        uint16_t seq[10];
        dx_hbtp_session_desc d;
        memset(&d, 0, sizeof d);
        d.outstanding_max = limit;
        start(r, &d, 0);
        for (uint32_t i = 0; i < limit; i++)
            DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 9, NULL, &seq[i]), 0);
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 9, NULL, NULL), DX_HBTP_EAGAIN);
        DX_CHECK_EQ(feed_all(r, frame, raw_frame(frame, 0x31, 0, seq[limit / 2], NULL, 0)), 0);
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 9, NULL, NULL), 0);
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 9, NULL, NULL), DX_HBTP_EAGAIN);
        DX_CHECK_EQ(dx_hbtp_tick(&r->s, 9), UINT64_MAX);
        DX_CHECK_EQ(r->results, limit + 1);
        DX_CHECK_EQ(r->s.waiting, 0);
    }
}

DX_TEST(hb_10_a_call_without_room_is_not_remembered)
{
    rig *r = plain_rig(0, 100);
    static uint8_t big[5000];
    uint16_t seq;
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, big, sizeof big, 9, NULL, NULL), DX_HBTP_ENOSPACE);
    DX_CHECK_EQ(r->s.waiting, 0);
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 9, NULL, &seq), 0);
    DX_CHECK_EQ(seq, 1);
}

DX_TEST(hb_10_sequence_wraps_at_65536_around_what_still_waits)
{
    rig *client = fresh(0), *server = plain_rig(1, 100);
    static uint8_t used[65536];
    uint16_t old[3], seq = 0, before = 0;
    int old_ended = 0;
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.outstanding_max = 4;
    start(client, &d, 0);
    memset(used, 0, sizeof used);
    dx_hbtp_router_set_method(&server->router, 1, echo, NULL);
    for (int i = 0; i < 3; i++) /* three of four slots are taken the whole time */
        DX_CHECK_EQ(dx_hbtp_call(&client->s, 9, NULL, 0, UINT64_MAX, &old_ended, &old[i]), 0);
    dx_hbtp_out_reset(&client->out);
    for (int i = 0; i < 40000; i++) {
        int ended = 0;
        size_t size;
        DX_CHECK_EQ(dx_hbtp_call(&client->s, 1, &i, sizeof i, 9, &ended, &seq), 0);
        DX_CHECK(seq != 0 && seq != old[0] && seq != old[1] && seq != old[2]);
        if (seq < before) memset(used, 0, sizeof used); /* wrapped */
        DX_CHECK(!used[seq]++);
        before = seq;
        const uint8_t *p = dx_hbtp_out_data(&client->out, &size);
        DX_CHECK_EQ(dx_hbtp_feed(&server->s, p, size, 0), (int64_t)size);
        dx_hbtp_out_reset(&client->out);
        p = dx_hbtp_out_data(&server->out, &size);
        DX_CHECK_EQ(dx_hbtp_feed(&client->s, p, size, 0), (int64_t)size);
        dx_hbtp_out_reset(&server->out);
        DX_CHECK(ended == 1 && client->last_error == 0);
    }
    for (int i = 0; i < 3; i++) {
        uint8_t frame[8];
        raw_frame(frame, 0x31, 0, old[i], NULL, 0);
        DX_CHECK_EQ(dx_hbtp_feed(&client->s, frame, 8, 0), 8);
        DX_CHECK_EQ(old_ended, i + 1);
    }
    DX_CHECK_EQ(client->s.counters.events[DX_HBTP_EVENT_UNASKED], 0);
}

static void retry_result(dx_hbtp_session *s, const dx_hbtp_result *result)
{
    count_result(s, result);
    if (result->error == DX_HBTP_ETIMEDOUT)
        DX_CHECK_EQ(dx_hbtp_call(s, 1, NULL, 0, 1000, NULL, NULL), 0);
}

DX_TEST(hb_10_deadlines_in_any_order_and_retries_from_the_callback)
{
    rig *r = plain_rig(0, 100);
    for (unsigned i = 0; i < 20; i++)
        DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, 100 + i * 7 % 20, NULL, NULL), 0);
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, UINT64_MAX, NULL, NULL), 0);
    for (uint64_t now = 100; now < 120; now++) {
        DX_CHECK_EQ(dx_hbtp_tick(&r->s, now), now < 119 ? now + 1 : UINT64_MAX);
        DX_CHECK_EQ(r->results, now - 99);
    }
    DX_CHECK_EQ(r->s.waiting, 1);
    r->s.desc.on_result = retry_result;
    for (int i = 0; i < 10; i++) dx_hbtp_call(&r->s, 1, NULL, 0, 200, NULL, NULL);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 300), 1000);
    DX_CHECK_EQ(r->s.waiting, 11);
    DX_CHECK_EQ(r->results, 30);
}

DX_TEST(hb_15_keepalive_pings_after_silence_and_closes_after_a_second_one)
{
    rig *r = fresh(0);
    uint8_t want[64] = {0}, pong[8];
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    d.keepalive_ns = 10;
    start(r, &d, 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, UINT64_MAX - 5), UINT64_MAX); /* a clock that does not wrap */
    start(r, &d, 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 3), 13);
    start(r, &d, 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1000), 1010);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1009), 1010);
    check_sent(r, want, 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1010), 1020);
    check_sent(r, want, raw_frame(want, 0, 4, 0, NULL, 0));
    raw_frame(pong, 1, 0, 0, NULL, 0);
    DX_CHECK_EQ(dx_hbtp_feed(&r->s, pong, 8, 1015), 8);
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_UNASKED], 0);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1020), 1025);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1025), 1035);
    r->sent_size = 0;
    drain(r, SIZE_MAX);
    r->sent_size = 0;
    int ended = 0;
    DX_CHECK_EQ(dx_hbtp_call(&r->s, 1, NULL, 0, UINT64_MAX, &ended, NULL), 0);
    drain(r, SIZE_MAX);
    r->sent_size = 0;
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1034), 1035);
    DX_CHECK_EQ(dx_hbtp_tick(&r->s, 1035), UINT64_MAX);
    DX_CHECK_EQ(r->s.error, DX_HBTP_ETIMEDOUT);
    DX_CHECK_EQ(ended, 1);
    check_sent_failure(r, -1, 408);
}

/* >>session properties ------------------------------------------------- */
static int add_later(const dx_hbtp_context *c)
{
    rig *r = (rig *)c->session->desc.user;
    r->calls++;
    r->later[0][0]++;
    return r->later[0][0] & 1 ? 500 : 0;
}

static void route_trace(rig *r)
{
    dx_hbtp_router_set_method(&r->router, 0, echo, NULL);
    dx_hbtp_router_set_method(&r->router, 1, add_later, NULL);
    dx_hbtp_router_set(&r->router, 0x10, log_frame, NULL);
    dx_hbtp_router_set(&r->router, 0x51, log_frame, NULL);
    dx_hbtp_router_set(&r->router, 0xff, log_frame, NULL);
}

/* What the session must send for these frames according to the document, computed with the
   reference parser. */
static int model(const uint8_t *p, size_t n, uint32_t limit, uint8_t *sent, size_t *sent_size)
{
    static ref_frame v[256];
    size_t count, s = 0;
    unsigned odd = 0;
    int end = ref_parse(p, n, limit, v, &count);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *body = p + v[i].payload;
        const unsigned op = v[i].opcode;
        unsigned status = 0;
        if (op == 0x01 || op == 0x31 || op == 0x32) continue;
        if (op == 0x02) {
            *sent_size = s + raw_frame(sent + s, 0x02, 0x08, 0, NULL, 0);
            return DX_HBTP_ECANCELED; /* the result of every later feed */
        }
        const bool request = op == 0 || op == 0x30 || op == 0x33 ||
                             ((v[i].flags & 4) && op != 0x34 && op != 0x35);
        if (v[i].flags & 3) status = 415;
        else if (op == 0xff) status = v[i].size < 2 || body[1] == 0 ? 400 : 0;
        else if (op == 0x30 && !v[i].size) status = 400;
        else if (op == 0x30 && body[0] == 1) status = ++odd & 1 ? 500 : 0;
        else if (op == 0x30 && body[0] > 1) status = 404;
        else if (op > 2 && op != 0x10 && op != 0x30 && op != 0x51) status = 404;
        if (status && !request) continue;
        if (status) {
            uint8_t e[64] = {(uint8_t)status, (uint8_t)(status >> 8), 0, 0};
            const char *text = dx_hbtp_status_text((uint16_t)status);
            memcpy(e + 4, text, strlen(text));
            s += raw_frame(sent + s, 0x32, 0, v[i].sequence, e, 4 + strlen(text));
        } else if (op == 0x00) {
            s += raw_frame(sent + s, 0x01, 0, v[i].sequence, body, v[i].size);
        } else if (op == 0x30 && body[0] == 0) {
            s += raw_frame(sent + s, 0x31, 0, v[i].sequence, body + 1, v[i].size - 1);
        }
    }
    *sent_size = s;
    return end;
}

/* Random frames, random splits, random sends, a small response buffer: the output never depends on
   them, and matches the model. Of the end (RpcError, Close), only the beginning is compared. */
static void run_trace(dx_choices *c, size_t frames, size_t most, bool in_place)
{
    static uint8_t trace[BIG], want[BIG];
    rig *r = fresh(0);
    dx_hbtp_session_desc d;
    size_t want_size, at = 0, have = 0, n = choose_trace(c, trace, frames, most, true);
    int64_t used = 0;
    memset(&d, 0, sizeof d);
    d.payload_max = (uint32_t)most;
    d.frames_max = (uint32_t)dx_choose(c, 5);
    d.in_place = in_place;
    start(r, &d, most + 12 + (size_t)dx_choose_range(c, DX_HBTP_OUT_MIN, 500));
    route_trace(r);
    int end = model(trace, n, (uint32_t)most, want, &want_size);
    for (size_t steps = 0; used >= 0 && steps < 20000; steps++) {
        have += (size_t)dx_choose(c, n - have < 50 ? n - have : 50);
        const uint8_t *p = exact(trace + at, have - at);
        const bool all = have == n;
        used = dx_hbtp_feed(&r->s, p, have - at, 0);
        if (used >= 0) at += (size_t)used;
        drain(r, steps % 16 ? (size_t)dx_choose(c, 60) : SIZE_MAX);
        if (steps % 16 == 0 && have < n) have += 1;
        if (at == n && r->s.state == DX_HBTP_WANTS_INPUT) break;
        if (in_place && all && !used && steps % 16 == 0 &&
            r->s.state == DX_HBTP_WANTS_INPUT)
            break;
    }
    drain(r, SIZE_MAX);
    DX_CHECK_EQ(used < 0 ? used : 0, end);
    DX_CHECK(r->sent_size >= want_size);
    if (!end || end == DX_HBTP_ECANCELED) DX_CHECK_EQ(r->sent_size, want_size);
    DX_CHECK_MEM(r->sent, want, want_size);
}

DX_PROPERTY(hb_5_session_agrees_with_the_model_at_any_split, 300)
{
    run_trace(c, (size_t)dx_choose(c, 40), 60, dx_choose(c, 1) != 0);
}

DX_PROPERTY(hb_5_session_agrees_with_the_model_for_200_frames, 15)
{
    run_trace(c, 200, 30, dx_choose(c, 1) != 0);
}

DX_PROPERTY(hb_5_every_single_split_of_200_frames_gives_the_same, 2)
{
    static uint8_t trace[BIG], log[BIG], sent[BIG];
    size_t n = choose_trace(c, trace, 200, 20, false), log_size = 0, sent_size = 0;
    for (size_t cut = 0; cut <= n + 1; cut++) { /* n + 1: one byte at a time */
        rig *r = plain_rig(0, 20);
        route_trace(r);
        if (cut <= n) {
            DX_CHECK_EQ(feed_all(r, trace, cut), 0);
            DX_CHECK_EQ(feed_all(r, trace + cut, n - cut), 0);
        } else {
            for (size_t i = 0; i < n; i++) DX_CHECK_EQ(feed_all(r, exact(trace + i, 1), 1), 0);
        }
        if (!cut) {
            memcpy(log, r->log, log_size = r->log_size);
            memcpy(sent, r->sent, sent_size = r->sent_size);
        }
        DX_CHECK_EQ(r->log_size, log_size);
        DX_CHECK_EQ(r->sent_size, sent_size);
        DX_CHECK_MEM(r->log, log, log_size);
        DX_CHECK_MEM(r->sent, sent, sent_size);
    }
}

DX_PROPERTY(hb_5_any_bytes_leave_a_session_in_order, 600)
{
    rig *r = plain_rig(0, 200);
    uint8_t bytes[400];
    size_t n = (size_t)dx_choose(c, sizeof bytes), at = 0;
    route_trace(r);
    for (int i = 0; i < 3; i++) dx_hbtp_call(&r->s, 1, NULL, 0, 5, NULL, NULL);
    dx_choose_bytes(c, bytes, n);
    for (size_t i = 4; i + 4 < n && dx_choose(c, 3); i += 20) memset(bytes + i + 1, 0, 3);
    while (at < n) {
        size_t piece = (size_t)dx_choose_range(c, 1, n - at);
        int64_t used = dx_hbtp_feed(&r->s, exact(bytes + at, piece), piece, 0);
        DX_CHECK(used <= (int64_t)piece);
        if (used < 0 || r->s.state == DX_HBTP_CLOSED) break;
        at += (size_t)used;
        drain(r, SIZE_MAX);
    }
    dx_hbtp_abort(&r->s);
    DX_CHECK_EQ(r->results, 3); /* each exactly once, whatever was received */
    DX_CHECK_EQ(r->events[DX_HBTP_EVENT_CLOSED], 1);
}

/* Two sessions over a lossless line with random delays, random calls, cancels, deadlines and late
   answers: every request ends exactly once, with its own payload. */
enum { CALLS = 300 };
static struct { int ended, error; } ledger[CALLS];

static void keep_result(dx_hbtp_session *s, const dx_hbtp_result *result)
{
    rig *r = (rig *)s->desc.user;
    size_t i = (size_t)((uint8_t *)result->user - (uint8_t *)ledger) / sizeof *ledger;
    ledger[i].ended++;
    ledger[i].error = result->error;
    r->results++;
    if (result->error) return;
    uint16_t tag;
    DX_CHECK_EQ(result->payload_size, sizeof tag);
    memcpy(&tag, result->payload, sizeof tag);
    DX_CHECK_EQ(tag, i);
}

static struct { uint16_t sequence, tag; } late[CALLS];
static size_t late_count;

static int answer_later(const dx_hbtp_context *c)
{
    late[late_count].sequence = c->frame->sequence;
    DX_CHECK_EQ(c->payload_size, 2);
    memcpy(&late[late_count++].tag, c->payload, 2);
    return DX_HBTP_LATER;
}

static void deliver(rig *from, rig *to, size_t most)
{
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(&from->out, &size);
    if (size > most) size = most;
    int64_t used = dx_hbtp_feed(&to->s, exact(p, size), size, 0);
    DX_CHECK(used >= 0 || to->s.state == DX_HBTP_CLOSED);
    if (used > 0) DX_CHECK_EQ(dx_hbtp_out_consume(&from->out, (size_t)used), 0);
}

DX_PROPERTY(hb_10_every_request_ends_exactly_once_under_random_operations, 300)
{
    rig *client = fresh(0), *server = fresh(1);
    dx_hbtp_session_desc d;
    size_t made = 0;
    uint64_t now = 0;
    memset(ledger, 0, sizeof ledger);
    late_count = 0;
    memset(&d, 0, sizeof d);
    d.payload_max = 64;
    d.outstanding_max = (uint32_t)dx_choose_range(c, 1, 40);
    d.pending_max = (uint32_t)dx_choose_range(c, 1, 40);
    start(client, &d, (size_t)dx_choose_range(c, DX_HBTP_OUT_MIN, 700));
    start(server, &d, (size_t)dx_choose_range(c, DX_HBTP_OUT_MIN, 700));
    client->s.desc.on_result = keep_result;
    client->s.sequence_ = 65500; /* so that runs cross the wrap */
    dx_hbtp_router_set_method(&server->router, 0, echo, NULL);
    dx_hbtp_router_set_method(&server->router, 1, answer_later, NULL);
    for (uint64_t ops = dx_choose(c, 600); ops; ops--) {
        uint16_t tag = (uint16_t)made, seq;
        switch (dx_choose(c, 7)) {
        case 0: case 1: case 2:
            if (made < CALLS && !dx_hbtp_call(&client->s, (uint8_t)dx_choose(c, 2), &tag, 2,
                                              now + dx_choose(c, 50), &ledger[made], &seq))
                made++;
            break;
        case 3: case 4: deliver(client, server, (size_t)dx_choose(c, 100)); break;
        case 5: deliver(server, client, (size_t)dx_choose(c, 100)); break;
        case 6:
            if (!late_count) break;
            late_count--;
            if (dx_hbtp_reply(&server->s, late[late_count].sequence, &late[late_count].tag, 2))
                late_count++;
            break;
        default:
            now += dx_choose(c, 20);
            dx_hbtp_tick(&client->s, now);
            if (dx_choose(c, 5) == 1) dx_hbtp_cancel(&client->s, (uint16_t)dx_choose(c, 65535));
            if (dx_choose(c, 100) == 1) dx_hbtp_close(&server->s, 0, NULL);
        }
        DX_CHECK_EQ(client->s.waiting, made - client->results);
        DX_CHECK(client->s.waiting <= d.outstanding_max);
    }
    dx_hbtp_abort(&client->s);
    for (size_t i = 0; i < CALLS; i++) DX_CHECK_EQ(ledger[i].ended, i < made);
    DX_CHECK_EQ(client->events[DX_HBTP_EVENT_DUPLICATE], 0);
}

/* A transfer as in a program: chunks are produced while the buffer drains. */
static uint8_t object[200000], arrived[200000];

static int take_chunk(const dx_hbtp_context *c)
{
    dx_hbtp_file_chunk k;
    int error = dx_hbtp_parse_file_chunk(c->frame, &k);
    if (error) return error;
    DX_CHECK_EQ(k.transfer, 42);
    DX_CHECK(k.offset <= sizeof arrived && k.data_size <= sizeof arrived - k.offset);
    memcpy(arrived + k.offset, k.data, k.data_size);
    ((rig *)c->session->desc.user)->calls++;
    if (k.final) ((rig *)c->session->desc.user)->reply = 1;
    return 0;
}

DX_PROPERTY(am_3_a_transfer_arrives_whole_through_small_buffers, 20)
{
    rig *client = plain_rig(0, 65536 + 16), *server = plain_rig(1, 100);
    const size_t total = (size_t)dx_choose(c, sizeof object);
    size_t offset = 0;
    bool done = false;
    for (size_t i = 0; i < total; i++) object[i] = (uint8_t)(i * 2654435761u >> 13);
    memset(arrived, 0, sizeof arrived);
    dx_hbtp_router_set(&client->router, 0x51, take_chunk, NULL);
    while (!client->reply) {
        size_t room = dx_hbtp_out_room(&server->out);
        if (!done && room > DX_HBTP_FILE_CHUNK_OVERHEAD) {
            uint8_t *p = dx_hbtp_out_next(&server->out) + DX_HBTP_FILE_CHUNK_PREFIX;
            size_t n = room - DX_HBTP_FILE_CHUNK_OVERHEAD;
            if (n > total - offset) n = total - offset;
            memcpy(p, object + offset, n);
            done = offset + n == total;
            const dx_hbtp_file_chunk k = {42, offset, p, (uint32_t)n, done};
            DX_CHECK_EQ(dx_hbtp_write_file_chunk(&server->out, 7, &k), 0);
            offset += n;
        }
        deliver(server, client, (size_t)dx_choose_range(c, 1, 5000));
    }
    DX_CHECK_MEM(arrived, object, total);
    DX_CHECK_EQ(client->events[DX_HBTP_EVENT_FAILED], 0);
}
