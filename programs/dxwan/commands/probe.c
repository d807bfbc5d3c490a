/* dxwan probe: what a path to a receiver carries, over one connection and over more. For each number
   of connections, blocks are sent as fast as they are taken, and those are counted that the receiver
   has answered, after a third of the time for slow start. */
#include "../wan.h"

#include "../../common/json.h"
#include "../../common/os.h"
#include "../net/address.h"
#include "../net/join.h"
#include "../net/loop.h"
#include "../net/path.h"
#include "../net/region.h"

#include <stdlib.h>
#include <string.h>

enum {
    STEPS_MAX    = 8,
    GAIN_PERCENT = 10, /* that more connections must bring to be advised */
    BLOCK_SIZE   = WAN_SINK_SIZE + 64
};
#define SECOND ((uint64_t)1000000000)

typedef struct stream {
    dx_link_dialer dialer;
    dx_link_id     id; /* 0: not connected */
    uint64_t       asked_ns;
    bool           joined;
} stream;

typedef struct step {
    uint32_t connections;
    uint64_t bytes_s;
    wan_paths paths;
} step;

typedef struct probe {
    const wan_options *o;
    wan_loop           loop;
    dx_reactor_address at;
    stream             streams[WAN_STREAMS_MAX];
    step               steps[STEPS_MAX];
    uint32_t           step_count;
    uint32_t           count;    /* connections of this step */
    uint64_t           sent;     /* blocks, */
    uint64_t           answered; /* and those that have arrived */
    uint64_t           rtt_ns;   /* the shortest of a call */
    uint64_t           seed;
    char               congestion[16];
    bool               refused;
    uint16_t           status;   /* of the refusal, */
    char               refusal[256]; /* and its text */
    bool               broke;
    bool               stranger; /* it does not speak HBTP */
} probe;

static stream *stream_of(probe *p, dx_link_id id)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->streams[i].dialer.id == id) return &p->streams[i];
    return NULL;
}

static void on_opened(dx_link *l, dx_link_id id)
{
    probe *p = l->desc.user;
    stream *s = stream_of(p, id);
    uint8_t arguments[WAN_JOIN_SIZE_MAX];
    const wan_join join = {.kind = WAN_PROBE, .name = "probe"};
    const size_t size = wan_join_write(&join, arguments);
    (void)wan_path_set_up(wan_loop_fd(l, id), p->o->congestion, p->congestion);
    if (!s || dx_hbtp_call(dx_link_session(l, id), WAN_RPC_JOIN, arguments, size,
                           wan_loop_now_ns(&p->loop) + p->o->timeout_ns, NULL, NULL)) {
        (void)dx_link_abort(l, id);
        return;
    }
    s->id = id;
    s->asked_ns = (uint64_t)prog_now_ns();
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    probe *p = l->desc.user;
    (void)reason;
    p->stranger = p->stranger || (!p->rtt_ns && wan_join_is_stranger(dx_link_session(l, id)));
    for (uint32_t i = 0; i < p->count; i++)
        if (p->streams[i].id == id) {
            p->streams[i].id = 0;
            p->streams[i].joined = false;
        }
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *result)
{
    dx_link *l = dx_link_of(session);
    probe *p = l->desc.user;
    stream *s = stream_of(p, dx_link_id_of(session));
    if (!result->error && s && s->id) {
        const uint64_t took = (uint64_t)prog_now_ns() - s->asked_ns;
        if (!p->rtt_ns || took < p->rtt_ns) p->rtt_ns = took;
        s->joined = true;
        return;
    }
    if (result->error != DX_HBTP_EREMOTE) return;
    p->refused = true;
    p->status = result->status;
    (void)snprintf(p->refusal, sizeof p->refusal, "%.*s", (int)result->payload_size,
                   (const char *)result->payload);
}

static int on_frame(const dx_hbtp_context *c)
{
    probe *p = dx_link_of(c->session)->desc.user;
    if (c->frame->opcode != WAN_OP_ANSWER || c->payload_size != 5 || p->answered >= p->sent)
        p->broke = true;
    p->answered++;
    return DX_HBTP_OK;
}

/* Give each connection what it takes. */
static void pump(probe *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        stream *s = &p->streams[i];
        dx_hbtp_out out;
        while (s->joined && !dx_link_reserve(&p->loop.links, s->id, BLOCK_SIZE, &out)) {
            uint8_t *place = dx_hbtp_out_next(&out) + 2;
            memset(place, (int)(p->sent & 0xff), WAN_SINK_SIZE);
            wan_store(place, p->sent & 0xffffffff, 4);
            const int error = dx_hbtp_write_frame(&out, WAN_OP_SINK, 0, 0, place, WAN_SINK_SIZE);
            (void)dx_link_commit(&p->loop.links, s->id, &out);
            if (error) {
                s->joined = false;
                break;
            }
            p->sent++;
        }
    }
}

static uint32_t joined(const probe *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++) n += p->streams[i].joined;
    return n;
}

/* Handle events until a time, or with `opening` until all connections are there. */
static int turn(probe *p, uint64_t until, bool opening)
{
    int status = PROG_OK;
    while (!status && (uint64_t)prog_now_ns() < until && !(opening && joined(p) == p->count)) {
        if (!opening) pump(p);
        status = wan_loop_turn(&p->loop, until);
        if (wan_loop_is_ended(&p->loop)) return prog_fail(PROG_NETWORK, "the probe was interrupted");
        if (p->stranger) return wan_join_stranger(p->o->address);
        if (p->broke) return prog_fail(PROG_NETWORK, "%s breaks the protocol", p->o->address);
        if (wan_loop_hopeless(&p->loop)) return wan_join_hopeless(p->o->address, wan_loop_hopeless(&p->loop));
        if (p->refused) return wan_join_refused(p->o->address, p->status, p->refusal);
    }
    return status;
}

static int open_all(probe *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (dx_link_dial(&p->loop.links, &p->streams[i].dialer, &p->at, p->seed++))
            return prog_fail(PROG_USAGE, "cannot connect to %s", p->o->address);
    const int status = turn(p, (uint64_t)prog_now_ns() + p->o->timeout_ns, true);
    if (status || joined(p) == p->count) return status;
    const int reason = p->streams[0].dialer.reason;
    return prog_fail(PROG_NETWORK, "%s: %u of %u connection%s within %u s: %s", p->o->address, joined(p),
                     p->count, prog_plural(p->count), (unsigned)(p->o->timeout_ns / SECOND),
                     wan_loop_reason(&p->loop, reason));
}

static void close_all(probe *p)
{
    const uint64_t until = (uint64_t)prog_now_ns() + SECOND;
    for (uint32_t i = 0; i < p->count; i++) {
        dx_link_dial_end(&p->streams[i].dialer);
        if (p->streams[i].id) (void)dx_link_abort(&p->loop.links, p->streams[i].id);
    }
    while (p->loop.links.count && (uint64_t)prog_now_ns() < until && !wan_loop_turn(&p->loop, until)) {}
    memset(p->streams, 0, sizeof p->streams);
}

/* Measure with a number of connections. */
static int measure(probe *p, uint32_t count)
{
    step *result = &p->steps[p->step_count];
    p->count = count;
    p->sent = p->answered = 0;
    int status = open_all(p);
    const uint64_t begin = (uint64_t)prog_now_ns();
    if (!status) status = turn(p, begin + p->o->seconds_ns / 3, false);
    const uint64_t before = p->answered, middle = (uint64_t)prog_now_ns();
    if (!status) status = turn(p, begin + p->o->seconds_ns, false);
    const uint64_t took = (uint64_t)prog_now_ns() - middle;
    if (!status && p->answered == before)
        status = prog_fail(PROG_NETWORK, "%s: nothing arrived over %u connection%s within %.1f s",
                           p->o->address, count, prog_plural(count), (double)took / 1e9);
    if (!status) {
        result->connections = count;
        result->bytes_s = (uint64_t)((double)(p->answered - before) * WAN_SINK_SIZE * 1e9 / (double)took);
        for (uint32_t i = 0; i < count; i++)
            if (p->streams[i].id) wan_path_add(&result->paths, wan_loop_fd(&p->loop.links, p->streams[i].id));
        p->step_count++;
    }
    close_all(p);
    return status;
}

static uint64_t most_bytes_s(const probe *p)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < p->step_count; i++)
        if (p->steps[i].bytes_s > most) most = p->steps[i].bytes_s;
    return most;
}

static bool has_gained(const probe *p)
{
    const step *last = p->steps + p->step_count - 1;
    return p->step_count < 2 || last->bytes_s * 100 > last[-1].bytes_s * (100 + GAIN_PERCENT);
}

/* The fewest connections that come close to the best. */
static const step *best(const probe *p)
{
    const uint64_t most = most_bytes_s(p);
    const step *s = p->steps;
    while (s->bytes_s * (100 + GAIN_PERCENT) < most * 100) s++;
    return s;
}

static void report(const probe *p)
{
    static const char *const tiers[] = {"a local network", "a region", "a wide area", "the world"};
    static const int levels[] = {0, 2, 2, 3}; /* of a configuration */
    const int tier = wan_path_tier(p->rtt_ns, most_bytes_s(p));
    const step *advised = best(p);
    prog_json j;
    if (p->o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "rtt_us", p->rtt_ns / 1000);
        prog_json_text(&j, "congestion_control", p->congestion);
        for (uint32_t i = 0; i < p->step_count; i++) {
            char name[48];
            (void)snprintf(name, sizeof name, "bytes_per_second_%u", p->steps[i].connections);
            prog_json_number(&j, name, p->steps[i].bytes_s);
            (void)snprintf(name, sizeof name, "retransmitted_segments_%u", p->steps[i].connections);
            prog_json_number(&j, name, p->steps[i].paths.retransmitted);
        }
        prog_json_number(&j, "streams", advised->connections);
        prog_json_number(&j, "tier", (uint64_t)tier);
        prog_json_end(&j);
        return;
    }
    prog_say("round trip %.1f ms, congestion control %s\n", (double)p->rtt_ns / 1e6, p->congestion);
    for (uint32_t i = 0; i < p->step_count; i++)
        prog_say("%3u connection%s:%s %8.2f MB/s, %llu segment%s repeated\n", p->steps[i].connections,
                 prog_plural(p->steps[i].connections), p->steps[i].connections == 1 ? " " : "",
                 (double)p->steps[i].bytes_s / 1e6, (unsigned long long)p->steps[i].paths.retransmitted,
                 prog_plural(p->steps[i].paths.retransmitted));
    prog_say("advice: --streams %u; %s\n", advised->connections,
             advised->connections == WAN_STREAMS_MAX ? "the most that are possible"
             : advised == p->steps + p->step_count - 1
                 ? "more may be better still: probe with a larger --streams"
                 : "more connections gain less than 10 %");
    prog_say("tier %d, %s: level %d of [compression] in a configuration\n", tier, tiers[tier - 1],
             levels[tier - 1]);
}

static int start(probe *p)
{
    dx_link_desc links = {0};
    int status = wan_address_find(&p->at, p->o->address);
    if (status) return status;
    links.links_max = WAN_STREAMS_MAX;
    links.block_size = BLOCK_SIZE;
    links.user = p;
    links.opened = on_opened;
    links.closed = on_closed;
    links.session.on_result = on_result;
    status = wan_loop_open(&p->loop, &links, p->o, false);
    if (status) return status;
    dx_hbtp_router_set(&p->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    (void)os_random(&p->seed, sizeof p->seed);
    return PROG_OK;
}

int wan_probe(const wan_options *o)
{
    probe *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->o = o;
    int status = start(p);
    const uint32_t most = o->probe_streams ? o->probe_streams : WAN_STREAMS_MAX;
    for (uint32_t n = 1, next = 1; !status && next; n = next) {
        status = measure(p, n);
        next = n == most ? 0 : n > most / 4 ? most : 4 * n;
        if (!status && !o->probe_streams && !has_gained(p)) next = 0;
    }
    if (!status) report(p);
    wan_loop_close(&p->loop);
    free(p);
    return status;
}
