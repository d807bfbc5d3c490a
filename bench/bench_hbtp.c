/* dx_hbtp.h beside a naive loop over the same bytes and beside parsers of other protocols, all in one process.
   Built and run by bench_hbtp.sh, which says with -DHAS_x what is installed. Prints CSV: subject,case,ns,unit.

   Every case works on a buffer of pipelined messages, 1 MiB or 2,000 messages, until half a millisecond or more has
   gone by; all cases run in turn, ROUNDS times, so that a slow spell hits all of them; medians are printed. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#define DX_HBTP_STATIC
#define NDEBUG
#include "../dx_hbtp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef HAS_WSLAY
  #include <wslay/wslay.h>
#endif
#ifdef HAS_HIREDIS
  #include <hiredis/hiredis.h>
#endif
#ifdef HAS_HTTP_PARSER
  #include <http_parser.h>
#endif
#ifdef HAS_NGHTTP2
  #include <nghttp2/nghttp2.h>
#endif
enum { ROUNDS = 15, MEGABYTE = 1 << 20, MESSAGES = 2000, BATCH = 256, OPS = 12 };

static volatile uint64_t sink;
#include "../layers/dx_token.h"
#include "bench_hbtp_jwt.h"
static uint64_t sums[256 * 8]; /* a cache line each */

static uint32_t random32(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* >>hbtp --------------------------------------------------------------- */
typedef struct frames {
    uint8_t *p;
    size_t   size, count;
} frames;

static frames equal, empty, random_lengths, cyclic, random_ops, calls;

/* method: the first byte, as in an RpcCall. */
static frames make(unsigned least, unsigned most, int ops, bool cycle)
{
    static const uint8_t opcodes[OPS] = {0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x24, 0x40, 0x41, 0x50};
    frames f = {(uint8_t *)malloc(MEGABYTE + 4096), 0, 0};
    while (f.size < MEGABYTE - 4096) {
        const uint32_t length = least + (most > least ? random32() % (most - least + 1) : 0);
        dx_hbtp_header h = {opcodes[ops == 1 ? 0 : cycle ? f.count % OPS : random32() % OPS], 0, (uint16_t)f.count, length};
        dx_hbtp_put_header(f.p + f.size, &h);
        memset(f.p + f.size + 8, 7, length);
        f.size += 8 + length;
        f.count++;
    }
    return f;
}

/* The limit: what a loop does that trusts nobody and does nothing else. Handlers are not inlined. */
typedef void naive_fn(const uint8_t *payload, uint32_t size, uint64_t *sum);
#define NAIVE(n) __attribute__((noinline)) static void naive_##n(const uint8_t *p, uint32_t size, uint64_t *sum) { *sum += size + n + (p != NULL); }
NAIVE(0) NAIVE(1) NAIVE(2) NAIVE(3) NAIVE(4) NAIVE(5) NAIVE(6) NAIVE(7) NAIVE(8) NAIVE(9) NAIVE(10) NAIVE(11)
static naive_fn *const naive_fns[OPS] = {naive_0, naive_1, naive_2, naive_3, naive_4, naive_5, naive_6, naive_7, naive_8, naive_9, naive_10, naive_11};
static naive_fn *naive_table[256];

static size_t naive_scan(void *user) /* header, bounds, next */
{
    const frames *f = (const frames *)user;
    size_t at = 0, n = 0;
    while (f->size - at >= 8) {
        uint64_t header;
        memcpy(&header, f->p + at, 8);
        const uint32_t length = (uint32_t)(header >> 32);
        if (length > 65536 || length > f->size - at - 8) break;
        at += 8 + length;
        n++;
    }
    sink = at;
    return n;
}

static size_t naive_calls(void *user)
{
    const frames *f = (const frames *)user;
    size_t at = 0, n = 0;
    while (f->size - at >= 8) {
        uint64_t header;
        memcpy(&header, f->p + at, 8);
        const uint32_t length = (uint32_t)(header >> 32);
        if (length > 65536 || length > f->size - at - 8) break;
        naive_table[header & 255](f->p + at + 8, length, &sums[(header & 255) * 8]);
        at += 8 + length;
        n++;
    }
    return n;
}

static size_t dx_parse(void *user)
{
    const frames *f = (const frames *)user;
    dx_hbtp_frame frame;
    size_t at = 0, n = 0;
    int64_t used;
    while ((used = dx_hbtp_parse(f->p + at, f->size - at, 65536, &frame)) > 0) {
        naive_table[frame.opcode](frame.payload, frame.payload_size, &sums[frame.opcode * 8]);
        at += (size_t)used;
        n++;
    }
    return n;
}

static size_t dx_batch(void *user) /* descriptors alone */
{
    const frames *f = (const frames *)user;
    dx_hbtp_descriptor d[BATCH];
    size_t at = 0, n = 0, count;
    int64_t used;
    while ((used = dx_hbtp_parse_batch(f->p + at, f->size - at, 65536, d, BATCH, &count)) > 0) {
        at += (size_t)used;
        n += count;
        sink = d[count - 1].payload_offset;
    }
    return n;
}

static size_t dx_batch_calls(void *user)
{
    const frames *f = (const frames *)user;
    dx_hbtp_descriptor d[BATCH];
    size_t at = 0, n = 0, count;
    int64_t used;
    while ((used = dx_hbtp_parse_batch(f->p + at, f->size - at, 65536, d, BATCH, &count)) > 0) {
        for (size_t i = 0; i < count; i++)
            naive_table[d[i].opcode](f->p + at + d[i].payload_offset, d[i].payload_size, &sums[d[i].opcode * 8]);
        at += (size_t)used;
        n += count;
    }
    return n;
}

static size_t dx_grouped_calls(void *user)
{
    const frames *f = (const frames *)user;
    dx_hbtp_descriptor d[BATCH];
    uint32_t order[BATCH];
    size_t at = 0, n = 0, count;
    int64_t used;
    while ((used = dx_hbtp_parse_batch(f->p + at, f->size - at, 65536, d, BATCH, &count)) > 0) {
        dx_hbtp_group(d, count, order);
        for (size_t i = 0; i < count; i++) {
            const dx_hbtp_descriptor *x = &d[order[i]];
            naive_table[x->opcode](f->p + at + x->payload_offset, x->payload_size, &sums[x->opcode * 8]);
        }
        at += (size_t)used;
        n += count;
    }
    return n;
}

/* Sessions: everything checked, counted, dispatched and answered. */
static dx_hbtp_session session;
static dx_hbtp_router router;
static dx_hbtp_out out;
static uint8_t out_memory[65536];
static uint64_t session_memory[512];
static uint64_t handled;

static int on_frame(const dx_hbtp_context *c)
{
    handled += c->payload_size;
    return 0;
}

static int on_call(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, 8);
}

static size_t dx_feed(void *user)
{
    const frames *f = (const frames *)user;
    size_t at = 0;
    while (at < f->size) {
        int64_t used = dx_hbtp_feed(&session, f->p + at, f->size - at, 1);
        if (used <= 0 && session.state == DX_HBTP_WANTS_INPUT) break;
        at += (size_t)used;
        dx_hbtp_out_reset(&out);
    }
    return f->count;
}

/* The layer below: parse, a table, a reply; no session. */
static size_t dx_reply(void *user)
{
    const frames *f = (const frames *)user;
    dx_hbtp_frame frame;
    size_t at = 0, n = 0;
    int64_t used;
    while ((used = dx_hbtp_parse(f->p + at, f->size - at, 65536, &frame)) > 0) {
        dx_hbtp_context c = {&session, &out, &frame, frame.payload + 1, frame.payload_size - 1, 0, NULL, UINT64_MAX};
        if (dx_hbtp_out_room(&out) < 64) dx_hbtp_out_reset(&out);
        router.methods_[frame.payload[0]].fn(&c);
        at += (size_t)used;
        n++;
    }
    return n;
}

static void prepare_session(void)
{
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    dx_hbtp_out_init(&out, out_memory, sizeof out_memory);
    dx_hbtp_router_init(&router);
    dx_hbtp_router_set(&router, 0x10, on_frame, NULL);
    dx_hbtp_router_set_method(&router, 7, on_call, NULL);
    d.memory = session_memory;
    d.memory_size = sizeof session_memory;
    d.payload_max = 1024;
    d.frames_max = 65536;
    d.out = &out;
    d.router = &router;
    if (dx_hbtp_session_init(&session, &d)) exit(1);
    calls = make(24, 24, 1, false);
    for (size_t i = 0; i < calls.count; i++) {
        calls.p[32 * i] = 0x30;
        calls.p[32 * i + 1] = 4;
    }
}

/* Routes: the lookup alone, against the same loop without one. */
static uint8_t route_keys[4096];
static dx_hbtp_router lookup_routers[3];

static size_t lookup(void *user)
{
    const dx_hbtp_router *r = (const dx_hbtp_router *)user;
    uintptr_t sum = 0;
    for (size_t i = 0; i < sizeof route_keys; i += 4) /* four at a time: the lookups, not the loop */
        sum += (uintptr_t)r->opcodes_[route_keys[i]].fn + (uintptr_t)r->opcodes_[route_keys[i + 1]].fn +
               (uintptr_t)r->opcodes_[route_keys[i + 2]].fn + (uintptr_t)r->opcodes_[route_keys[i + 3]].fn;
    sink = sum;
    return sizeof route_keys;
}

static size_t lookup_none(void *user)
{
    uintptr_t sum = 0;
    (void)user;
    for (size_t i = 0; i < sizeof route_keys; i++) sum += route_keys[i];
    sink = sum;
    return sizeof route_keys;
}

/* Hooks: three before, three after, each with state in a cache line of its own. */
typedef struct hooks {
    uint64_t authorised, pad1[7], count, limit, pad2[6], bytes_in, failures;
} hooks;
static hooks hook_state = {1, {0}, 0, UINT64_MAX, {0}, 0, 0};

static inline int gate_before(const dx_hbtp_context *c) { return ((hooks *)c->user)->authorised ? 0 : 401; }
static inline int gate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int limit_before(const dx_hbtp_context *c) { return ((hooks *)c->user)->count++ < ((hooks *)c->user)->limit ? 0 : 429; }
static inline int limit_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static inline int sum_before(const dx_hbtp_context *c) { ((hooks *)c->user)->bytes_in += c->payload_size; return 0; }
static inline int sum_after(const dx_hbtp_context *c, int result) { if (result) ((hooks *)c->user)->failures++; return result; }
__attribute__((noinline, aligned(64))) static int bare(const dx_hbtp_context *c) { return c->payload_size > 100000 ? 413 : 0; }
DX_HBTP_CHAIN(chain, bare, gate, limit, sum)
static __attribute__((noinline, aligned(64))) int by_hand(const dx_hbtp_context *c)
{
    hooks *s = (hooks *)c->user;
    int result = 401;
    if (s->authorised) {
        result = 429;
        if (s->count++ < s->limit) {
            s->bytes_in += c->payload_size;
            result = bare(c);
            if (result) s->failures++;
        }
    }
    return result == DX_HBTP_STOP ? DX_HBTP_OK : result;
}
static __attribute__((noinline, aligned(64))) int chained(const dx_hbtp_context *c) { return chain(c); }

typedef struct pointers { int (*before)(const dx_hbtp_context *), (*after)(const dx_hbtp_context *, int); } pointers;
static pointers pointer_hooks[3] = {{gate_before, gate_after}, {limit_before, limit_after}, {sum_before, sum_after}};
static __attribute__((noinline, aligned(64))) int by_pointer(const dx_hbtp_context *c)
{
    const volatile pointers *h = pointer_hooks; /* as when they are registered at run time */
    int i, result = 0;
    for (i = 0; i < 3 && !result; i++) result = h[i].before(c);
    if (!result) result = bare(c);
    while (i-- > 0) result = h[i].after(c, result);
    return result;
}

static size_t run_hooks(void *user)
{
    dx_hbtp_handler_fn *fn = *(dx_hbtp_handler_fn **)user;
    static dx_hbtp_context c[16];
    for (size_t i = 0; i < 16; i++) {
        c[i].user = &hook_state;
        c[i].payload_size = i;
    }
    for (size_t i = 0; i < MESSAGES; i++) sink += (uint64_t)fn(&c[i & 15]);
    return MESSAGES;
}
static dx_hbtp_handler_fn *const hook_fns[4] = {bare, by_hand, chained, by_pointer};

/* >>peers -------------------------------------------------------------- */
#ifdef HAS_WSLAY
static uint8_t *peer_bytes;
static size_t   peer_size, peer_at;

static ssize_t ws_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    (void)flags; (void)user;
    if (peer_at == peer_size) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (len > peer_size - peer_at) len = peer_size - peer_at;
    memcpy(buf, peer_bytes + peer_at, len);
    peer_at += len;
    return (ssize_t)len;
}
static ssize_t ws_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
    (void)ctx; (void)data; (void)flags; (void)user;
    return (ssize_t)len;
}
static void ws_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    (void)ctx; (void)user;
    sums[0] += arg->msg_length;
}
static size_t wslay_events(void *user)
{
    static wslay_event_context_ptr ctx;
    static uint8_t bytes[MESSAGES * 30];
    (void)user;
    if (!ctx) {
        struct wslay_event_callbacks callbacks = {ws_recv, ws_send, NULL, NULL, NULL, NULL, ws_message};
        wslay_event_context_server_init(&ctx, &callbacks, NULL);
        for (size_t i = 0; i < MESSAGES; i++) {
            static const uint8_t head[6] = {0x82, 0x80 | 24, 1, 2, 3, 4};
            memcpy(bytes + 30 * i, head, 6);
        }
    }
    peer_bytes = bytes;
    peer_size = sizeof bytes;
    peer_at = 0;
    if (wslay_event_recv(ctx)) exit(2);
    return MESSAGES;
}
#endif

#ifdef HAS_HIREDIS
static size_t hiredis_reader(void *user)
{
    static const char one[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$24\r\n0123456789abcdefghijklmn\r\n";
    static char bytes[MESSAGES * (sizeof one - 1)];
    static redisReader *r;
    size_t n = 0;
    void *reply;
    (void)user;
    if (!r) {
        r = redisReaderCreate();
        for (size_t i = 0; i < MESSAGES; i++) memcpy(bytes + i * (sizeof one - 1), one, sizeof one - 1);
    }
    for (size_t at = 0; at < sizeof bytes; at += 16384) {
        redisReaderFeed(r, bytes + at, sizeof bytes - at < 16384 ? sizeof bytes - at : 16384);
        while (redisReaderGetReply(r, &reply) == REDIS_OK && reply) {
            sums[0] += ((redisReply *)reply)->elements;
            freeReplyObject(reply);
            n++;
        }
    }
    return n;
}
#endif

#if defined(HAS_PICO) || defined(HAS_HTTP_PARSER)
static const char http_get[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"; /* 28 bytes */
#endif

#ifdef HAS_PICO
/* picohttpparser, as libh2o carries it; its header is not installed by that package. */
struct phr_header { const char *name; size_t name_len; const char *value; size_t value_len; };
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path, size_t *path_len,
                      int *minor_version, struct phr_header *headers, size_t *num_headers, size_t last_len);
static size_t pico(void *user)
{
    static char bytes[MESSAGES * 28];
    size_t at = 0, n = 0;
    (void)user;
    if (!bytes[0]) for (size_t i = 0; i < MESSAGES; i++) memcpy(bytes + 28 * i, http_get, 28);
    while (at < sizeof bytes) {
        const char *method, *path;
        size_t method_len, path_len, headers = 16;
        struct phr_header h[16];
        int minor, used = phr_parse_request(bytes + at, sizeof bytes - at, &method, &method_len, &path, &path_len, &minor, h, &headers, 0);
        if (used <= 0) exit(3);
        sums[0] += headers + path_len;
        at += (size_t)used;
        n++;
    }
    return n;
}
#endif

#ifdef HAS_HTTP_PARSER
static int hp_done(http_parser *p) { (void)p; sums[0]++; return 0; }
static int hp_data(http_parser *p, const char *at, size_t length) { (void)p; (void)at; sums[0] += length; return 0; }
static size_t http_parser_get(void *user)
{
    static char bytes[MESSAGES * 28];
    static http_parser_settings settings;
    http_parser p;
    (void)user;
    if (!bytes[0]) {
        for (size_t i = 0; i < MESSAGES; i++) memcpy(bytes + 28 * i, http_get, 28);
        http_parser_settings_init(&settings);
        settings.on_message_complete = hp_done;
        settings.on_url = hp_data;
        settings.on_header_field = hp_data;
        settings.on_header_value = hp_data;
    }
    http_parser_init(&p, HTTP_REQUEST);
    if (http_parser_execute(&p, &settings, bytes, sizeof bytes) != sizeof bytes) exit(4);
    return MESSAGES;
}
#endif

#ifdef HAS_NGHTTP2
static uint8_t h2_bytes[1 << 20];
static size_t  h2_size;
static int h2_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    (void)s; (void)user;
    sums[0] += frame->hd.type == NGHTTP2_HEADERS;
    return 0;
}
static int h2_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags, void *user)
{
    (void)s; (void)frame; (void)name; (void)value; (void)flags; (void)user;
    sums[0] += namelen + valuelen;
    return 0;
}
static void h2_requests(void) /* what a client sends: 8 fields a request, the same in each */
{
    static char names[8][16] = {":method", ":path", ":scheme", ":authority", "user-agent", "accept", "authorization", "x-state"};
    static char values[8][32] = {"GET", "/state/42", "https", "a.example", "bench/1.0", "application/octet-stream", "Bearer 0123456789abcdef", "24 bytes of some state .."};
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *client;
    nghttp2_nv nv[8];
    const uint8_t *p;
    ssize_t n;
    for (int i = 0; i < 8; i++) {
        nghttp2_nv one = {(uint8_t *)names[i], (uint8_t *)values[i], strlen(names[i]), strlen(values[i]), i == 6 ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
        nv[i] = one;
    }
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_client_new(&client, callbacks, NULL);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    for (int i = 0; i < 100; i++) nghttp2_submit_request(client, NULL, nv, 8, NULL, NULL);
    while ((n = nghttp2_session_mem_send(client, &p)) > 0) {
        memcpy(h2_bytes + h2_size, p, (size_t)n);
        h2_size += (size_t)n;
    }
    nghttp2_session_del(client);
    nghttp2_session_callbacks_del(callbacks);
}
static size_t h2_recv(void *user)
{
    static nghttp2_session_callbacks *callbacks;
    nghttp2_session *s;
    (void)user;
    if (!callbacks) {
        h2_requests();
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_frame);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_header);
    }
    nghttp2_session_server_new(&s, callbacks, NULL);
    if (nghttp2_session_mem_recv(s, h2_bytes, h2_size) != (ssize_t)h2_size) exit(5);
    nghttp2_session_del(s);
    return 100;
}
#endif

/* >>main --------------------------------------------------------------- */
typedef struct subject {
    const char *who, *what;
    size_t    (*fn)(void *user); /* returns how many messages it handled */
    void       *user;
    double      ns[ROUNDS];
} subject;

static subject subjects[64];
static int     subject_count;

static void add(const char *who, const char *what, size_t (*fn)(void *), const void *user)
{
    subject *s = &subjects[subject_count++];
    s->who = who;
    s->what = what;
    s->fn = fn;
    s->user = (void *)(uintptr_t)user;
}

static int ascending(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

int main(int argc, char **argv)
{
    static const uint8_t opcodes[OPS] = {0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x24, 0x40, 0x41, 0x50};
    for (int i = 0; i < 256; i++) naive_table[i] = naive_0;
    for (int i = 0; i < OPS; i++) naive_table[opcodes[i]] = naive_fns[i];
    equal = make(24, 24, 1, false);
    empty = make(0, 0, 1, false);
    random_lengths = make(0, 63, 1, false);
    cyclic = make(24, 24, OPS, true);
    random_ops = make(24, 24, OPS, false);
    prepare_session();
    for (size_t i = 0; i < sizeof route_keys; i++) route_keys[i] = (uint8_t)random32();
    for (int i = 0; i < 3; i++) {
        dx_hbtp_router_init(&lookup_routers[i]);
        for (int k = 0; k < (i == 0 ? 1 : i == 1 ? 12 : 256); k++) (void)dx_hbtp_router_set(&lookup_routers[i], (uint8_t)k, on_frame, NULL);
    }
    add("naive", "scan 24", naive_scan, &equal);
    add("dx", "batch 24", dx_batch, &equal);
    add("naive", "scan 0", naive_scan, &empty);
    add("dx", "batch 0", dx_batch, &empty);
    add("naive", "scan 0..63", naive_scan, &random_lengths);
    add("dx", "batch 0..63", dx_batch, &random_lengths);
    add("naive", "calls 24", naive_calls, &equal);
    add("dx", "parse calls 24", dx_parse, &equal);
    add("dx", "batch calls 24", dx_batch_calls, &equal);
    add("naive", "calls cyclic", naive_calls, &cyclic);
    add("dx", "batch calls cyclic", dx_batch_calls, &cyclic);
    add("naive", "calls random", naive_calls, &random_ops);
    add("dx", "batch calls random", dx_batch_calls, &random_ops);
    add("dx", "grouped calls random", dx_grouped_calls, &random_ops);
    calls.p[8] = 7;
    for (size_t i = 0; i < calls.count; i++) calls.p[32 * i + 8] = 7;
    add("dx", "parse route reply", dx_reply, &calls);
    add("dx", "session dispatch", dx_feed, &equal);
    add("dx", "session call reply", dx_feed, &calls);
    add("none", "lookup", lookup_none, NULL);
    add("dx", "lookup 1", lookup, &lookup_routers[0]);
    add("dx", "lookup 12", lookup, &lookup_routers[1]);
    add("dx", "lookup 256", lookup, &lookup_routers[2]);
    add("none", "hooks bare", run_hooks, &hook_fns[0]);
    add("naive", "hooks by hand", run_hooks, &hook_fns[1]);
    add("dx", "hooks chain", run_hooks, &hook_fns[2]);
    add("naive", "hooks pointers", run_hooks, &hook_fns[3]);
#ifdef HAS_WSLAY
    add("wslay", "event 24", wslay_events, NULL);
#endif
#ifdef HAS_HIREDIS
    add("hiredis", "SET 24", hiredis_reader, NULL);
#endif
#ifdef HAS_PICO
    add("picohttpparser", "GET 28", pico, NULL);
#endif
#ifdef HAS_HTTP_PARSER
    add("http_parser", "GET 28", http_parser_get, NULL);
#endif
#ifdef HAS_NGHTTP2
    add("nghttp2", "recv 8 fields", h2_recv, NULL);
#endif
    prepare_jwt();
    if (argc > 1 && strcmp(argv[1], "jwt") == 0) subject_count = 0; /* only these */
    add("dx", jwt_case(), jwt_own, NULL);
#ifdef HAS_OPENSSL
    add("dx", "jwt OpenSSL hook", jwt_openssl, NULL);
#endif
#ifdef HAS_LIBJWT
    add("libjwt", "jwt_decode", jwt_libjwt, NULL);
#endif
    for (int r = -1; r < ROUNDS; r++) { /* the first warms up */
        for (int i = 0; i < subject_count; i++) {
            subject *s = &subjects[i];
            const uint64_t begin = now();
            uint64_t end;
            size_t n = 0;
            do {
                n += s->fn(s->user);
                end = now();
            } while (end - begin < 2000000);
            if (r >= 0) s->ns[r] = (double)(end - begin) / (double)n;
        }
    }
    printf("subject,case,median_ns,least_ns\n");
    for (int i = 0; i < subject_count; i++) {
        qsort(subjects[i].ns, ROUNDS, sizeof *subjects[i].ns, ascending);
        printf("%s,%s,%.3f,%.3f\n", subjects[i].who, subjects[i].what, subjects[i].ns[ROUNDS / 2], subjects[i].ns[0]);
    }
    return 0;
}
