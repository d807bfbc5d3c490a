/* dxwan send: a file to a receiver, over several connections.

       join --> the file is hashed, with signs of life --> offered --> chunks --> confirmed */
#include "../wan.h"

#include "../../common/json.h"
#include "../../common/os.h"
#include "../files/hash.h"
#include "../files/source.h"
#include "../files/unnamed.h"
#include "../net/address.h"
#include "../net/bulk.h"
#include "../net/join.h"
#include "../net/path.h"
#include "../net/region.h"
#include "../net/streams.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_CHUNK_SIZE = 16384,
    CHUNK_SIZE       = 65536,
    FLYING_MAX       = 4194304, /* bytes on their way, of each connection */
    LARGE_CHUNK_SIZE = WAN_CHUNK_MAX,
    INPUT_NS         = 10000000, /* between two looks at standard input that has nothing */
    LOOK_NS          = 100000000, /* between two looks at the kernel's statistics */
    STREAMS          = 16, /* at first, and at least, without --streams; */
    STREAMS_MIN      = 2,  /* at least, if the round trip is shorter than this: then others that use the link */
    YIELDS_US        = 100000, /* get more of it, and the few streams recover from a loss soon */
    STREAMS_LONG     = 32, /* at first, if the round trip is this long: below it, the end of a transfer over a */
    LONG_US          = 250000, /* slow link costs more than the start gains */
    QUEUE_US         = 2000, /* a round trip that is longer by less is no queue */
    UNSENT_MIN       = 16384,  /* bytes of unsent data in the kernel, for each stream: */
    UNSENT_MAX       = 131072, /* those of UNSENT_PARTS of a second */
    UNSENT_PARTS     = 10
};
#define SECOND ((uint64_t)1000000000)
#define INTERVAL_MIN_NS (SECOND * 2 / 5) /* of the controller */
#define INTERVAL_MAX_NS SECOND
static const uint64_t middling = (uint64_t)1 << 30; /* bytes from which chunks are not small, */
static const uint64_t large = (uint64_t)64 << 30; /* and from which they are large */

typedef struct send {
    const wan_options *o;
    wan_loop           loop;
    wan_bulk           bulk;
    wan_join           join;
    dx_bulk_object     object;
    dx_reactor_address at;
    dx_link_dialer     dialers[WAN_STREAMS_MAX];
    dx_link_id         opened[WAN_STREAMS_MAX]; /* of each dialer; 0: none */
    bool               dialed[WAN_STREAMS_MAX]; /* its dialer is at work */
    wan_paths          last[WAN_STREAMS_MAX]; /* of its connection, at the last look */
    wan_choice         choices[WAN_STREAMS_MAX];
    uint32_t           limit;    /* of streams */
    uint32_t           wanted;   /* streams now; the others finish */
    uint32_t           retired;  /* connections that have ended as they were not wanted any more */
    dx_bulk_control    control;
    uint64_t           full_ns;  /* time in which the streams were the limit: the controller's clock, */
    uint64_t           delivered; /* and the bytes of it */
    uint64_t           segments; /* sent lately, and of these */
    uint64_t           repeated;
    uint64_t           repeated_all; /* of all connections, the closed ones included */
    uint64_t           speed;    /* bytes a second, of all streams, lately */
    uint32_t           unsent;   /* bytes that the kernel takes of each stream */
    bool               again[WAN_STREAMS_MAX]; /* connect at once: the last link was useful */
    wan_hash           hash;
    bool               spooling; /* standard input has not ended, */
    bool               starved;  /* and has nothing now */
    uint64_t           spooled;  /* bytes that it had */
    uint64_t           signs;    /* that it is waited for */
    bool               ready; /* the file is hashed: links take part in the transfer */
    uint64_t           told_ns; /* when the receiver was told how far it is */
    uint64_t           seed;
    int                file;
    uint64_t           began_ns;
    uint64_t           moved_ns;  /* when anything last moved forward */
    uint64_t           moved;     /* the sum that shows it */
    uint64_t           looked_ns;
    wan_paths          paths;
    char               congestion[16]; /* in use */
    bool               warned;         /* it is not the one asked for */
    uint8_t            number[WAN_NUMBER_SIZE]; /* of the receiver */
    bool               restart;        /* it is another one now */
    int32_t            told;           /* why there is no connection */
    bool               measured;       /* the round trip, when the first connection was open */
    bool               joined;         /* the receiver has accepted a connection */
    char               refusal[256];   /* what it said when it did not */
    bool               over;
    int                status;
} send;

/* >>file ---------------------------------------------------------------- */
/* The last chunk of each stream is waited for at the end: 64 KiB take a second where a stream has 64 KB/s. A
   large file takes longer anyway, and its sender needs memory for each chunk. */
static uint32_t chunk_size_of(uint64_t size)
{
    if (size < middling) return SMALL_CHUNK_SIZE;
    return size < large ? CHUNK_SIZE : LARGE_CHUNK_SIZE;
}

/* Copy what standard input has now into an unnamed file, because its size and hash are announced first. Waits
   for no more. Returns a status with a message. */
static int spool_part(send *s)
{
    static uint8_t bytes[PROG_IO_SIZE];
    struct pollfd input = {.fd = 0, .events = POLLIN};
    s->starved = poll(&input, 1, 0) == 0;
    if (s->starved) return PROG_OK;
    const int64_t got = os_read(0, bytes, sizeof bytes);
    if (got < 0) return prog_fail_errno("standard input");
    if (got && os_write(s->file, bytes, (size_t)got) < 0)
        return prog_fail_errno("the copy of standard input cannot be written");
    s->object.size += (uint64_t)got;
    s->spooling = got > 0;
    return PROG_OK;
}

/* Open the file and describe it, but for its hash. */
static int open_file(send *s)
{
    os_info info;
    const bool is_input = !strcmp(s->o->file, "-");
    int status = is_input ? wan_join_name(&s->join, "stdin", s->o->name)
                          : wan_join_file(&s->join, s->o->file, s->o->name);
    if (status) return status;
    s->object.chunk_size = LARGE_CHUNK_SIZE;
    s->spooling = is_input;
    wan_hash_begin(&s->hash);
    if (is_input) return wan_unnamed_open(&s->file, "input", "standard input");
    s->file = os_open(s->o->file);
    if (s->file < 0) return prog_fail_errno("%s", s->o->file);
    if (os_info_of(s->file, &info) < 0) return prog_fail_errno("%s", s->o->file);
    if (info.kind != OS_FILE)
        return prog_fail(PROG_USAGE, "%s is not a file", s->o->file);
    if (wan_has_no_size(s->file))
        return prog_fail(PROG_USAGE, "%s has no size, so it would be sent as empty; give '-', with it as standard input",
                         s->o->file);
    s->object.size = info.size;
    s->object.chunk_size = chunk_size_of(info.size);
    return PROG_OK;
}

/* >>end ------------------------------------------------------------------ */
static void finish(send *s, int status)
{
    if (s->over) return;
    s->over = true;
    s->status = status;
}

/* The transfer has failed: say why. */
static int fail_transfer(const send *s)
{
    const dx_bulk *b = &s->bulk.bulk;
    const char *where = s->o->address;
    if (b->error == DX_BULK_ESYS && !s->bulk.system_error)
        return prog_fail(PROG_DAMAGED, "%s became shorter while it was sent", s->o->file);
    if (b->error == DX_BULK_ESYS) {
        errno = s->bulk.system_error;
        return prog_fail_errno("%s", s->o->file);
    }
    switch (b->status) {
    case DX_BULK_WRONG_HASH:
        return prog_fail(PROG_DAMAGED, "%s: received another content; %s changed while it was sent, "
                                       "or the receiver's disk is damaged", where, s->o->file);
    case DX_HBTP_STATUS_TOO_BIG:
        return prog_fail(PROG_REFUSED, "%s refused %s: the file is above its --size-max", where,
                         s->join.name);
    case 507:
        return prog_fail(PROG_REFUSED, "%s refused %s: its disk has not enough room", where,
                         s->join.name);
    case DX_HBTP_STATUS_UNAVAILABLE:
        return prog_fail(PROG_NETWORK, "%s was ended; send again to resume", where);
    default:
        return prog_fail(PROG_NETWORK, "%s gave up: it could not store the file (status %u)", where,
                         (unsigned)b->status);
    }
}

/* Nothing has moved for --timeout. */
static int fail_silence(const send *s)
{
    const unsigned seconds = (unsigned)(s->o->timeout_ns / 1000000000);
    const char *where = s->o->address;
    if (s->refusal[0]) return prog_fail(PROG_REFUSED, "%s refused: %s", where, s->refusal);
    if (!s->joined)
        return prog_fail(PROG_NETWORK, "%s: no connection within %u s: %s", where, seconds,
                         wan_loop_reason(&s->loop, s->dialers[0].reason));
    switch (s->bulk.bulk.state) {
    case DX_BULK_WAITING:
        return prog_fail(PROG_NETWORK, "%s does not say within %u s what it has", where, seconds);
    case DX_BULK_WHOLE:
        return prog_fail(PROG_NETWORK, "%s has everything, but does not confirm it within %u s",
                         where, seconds);
    default:
        return prog_fail(PROG_NETWORK, "%s acknowledged nothing for %u s; send again to resume",
                         where, seconds);
    }
}

/* >>links ---------------------------------------------------------------- */
/* An open link takes part in the transfer. */
static void add_link(send *s, uint32_t number)
{
    const dx_link_id id = s->opened[number];
    if (!wan_bulk_add(&s->bulk, id)) {
        (void)dx_link_abort(&s->loop.links, id);
        return;
    }
    wan_stream *stream = dx_link_session(&s->loop.links, id)->desc.user;
    stream->owner = number;
}

/* A stream is not wanted any more. It closes once its chunks are confirmed. */
static void retire(send *s, uint32_t number)
{
    const dx_link_id connecting = s->opened[number] ? 0 : s->dialers[number].id;
    s->dialed[number] = false;
    dx_link_dial_end(&s->dialers[number]);
    if (connecting) (void)dx_link_abort(&s->loop.links, connecting);
    if (s->opened[number]) wan_bulk_retire(&s->bulk, s->opened[number]);
}

/* Open as many streams as are wanted, or let the slowest finish. */
static void adjust(send *s)
{
    for (uint32_t i = 0; i < s->limit; i++) {
        wan_choice *c = &s->choices[i];
        c->wanted = s->dialed[i];
        c->open = s->opened[i] != 0;
        c->ends = !c->wanted && c->open;
    }
    wan_choose(s->choices, s->limit, s->wanted);
    for (uint32_t i = 0; i < s->limit; i++) {
        if (s->dialed[i] && !s->choices[i].wanted) retire(s, i);
        else if (!s->dialed[i] && s->choices[i].wanted)
            s->dialed[i] = !dx_link_dial(&s->loop.links, &s->dialers[i], &s->at, s->seed++);
    }
}

/* The first connection has measured the round trip. The longer it is, the more streams begin: each has a
   small window at first. Not with BBR, whose start is as fast with few. */
static void set_streams(send *s, int fd)
{
    wan_paths path = {0};
    if (s->o->send_streams || s->measured) return;
    wan_path_add(&path, fd);
    s->measured = true;
    if (!strncmp(s->congestion, "bbr", 3)) return;
    if (path.rtt_us >= LONG_US) s->wanted = STREAMS_LONG;
    s->control.count = s->wanted;
    adjust(s);
}

static void on_opened(dx_link *l, dx_link_id id)
{
    send *s = l->desc.user;
    uint8_t arguments[WAN_JOIN_SIZE_MAX];
    const int fd = wan_loop_fd(l, id);
    if (s->over) return;
    wan_path_set_up_or_warn(fd, s->o->congestion, s->congestion, &s->warned);
    set_streams(s, fd);
    const size_t size = wan_join_write(&s->join, arguments);
    uint32_t i = 0;
    while (i < s->limit && s->dialers[i].id != id) i++;
    if (i == s->limit || dx_hbtp_call(dx_link_session(l, id), WAN_RPC_JOIN, arguments, size,
                                           wan_loop_now_ns(&s->loop) + s->o->timeout_ns, NULL, NULL)) {
        (void)dx_link_abort(l, id);
        return;
    }
    s->opened[i] = id;
    memset(&s->last[i], 0, sizeof s->last[i]);
    s->choices[i].lately = 0;
    if (s->unsent) wan_path_set_unsent(fd, s->unsent);
    if (s->ready) add_link(s, i);
}

static void on_writable(dx_link *l, dx_link_id id)
{
    wan_stream *stream = dx_link_session(l, id)->desc.user;
    if (stream) wan_bulk_pump(stream);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    send *s = l->desc.user;
    const wan_stream *stream = dx_link_session(l, id)->desc.user;
    const uint64_t end_ns = s->moved_ns + s->o->timeout_ns, now = (uint64_t)prog_now_ns();
    bool was_open = false;
    for (uint32_t i = 0; i < s->limit; i++) {
        if (s->opened[i] != id) continue;
        s->opened[i] = 0;
        s->retired += stream && !s->dialed[i];
        was_open = true;
    }
    if (!s->joined && !s->over && wan_loop_hopeless(&s->loop))
        finish(s, wan_join_hopeless(s->o->address, wan_loop_hopeless(&s->loop)));
    if (!was_open && !s->over)
        wan_loop_say_unconnected(&s->loop, s->o->address, reason, &s->told, end_ns > now ? end_ns - now : 0);
    if (!s->joined && !s->over && wan_join_is_stranger(dx_link_session(l, id)))
        finish(s, wan_join_stranger(s->o->address));
    if (stream && stream->useful && stream->owner < s->limit) s->again[stream->owner] = true;
    wan_bulk_remove(&s->bulk, id);
}

/* The answer to a join. */
static void on_result(dx_hbtp_session *session, const dx_hbtp_result *result)
{
    dx_link *l = dx_link_of(session);
    send *s = l->desc.user;
    if (s->over) return;
    if (!result->error && result->payload_size == WAN_NUMBER_SIZE) {
        s->restart = s->restart || (s->joined && memcmp(s->number, result->payload, WAN_NUMBER_SIZE) != 0);
        memcpy(s->number, result->payload, WAN_NUMBER_SIZE);
        s->joined = true;
        s->told = 0;
        s->refusal[0] = 0;
        return;
    }
    if (result->error != DX_HBTP_EREMOTE) return;
    (void)snprintf(s->refusal, sizeof s->refusal, "%.*s", (int)result->payload_size,
                   (const char *)result->payload);
    if (result->status != DX_HBTP_STATUS_UNAVAILABLE && !s->joined)
        finish(s, wan_join_refused(s->o->address, result->status, s->refusal));
    (void)dx_link_abort(l, dx_link_id_of(session));
}

static int on_frame(const dx_hbtp_context *context)
{
    wan_stream *stream = context->session->desc.user;
    return stream ? wan_bulk_handle(stream, context) : (int)DX_HBTP_ENOTFOUND;
}

/* >>hash ----------------------------------------------------------------- */
/* The file is hashed. The transfer's number follows from the hash, so that a sender that was killed and
   started again continues the same transfer. */
static void begin_transfer(send *s)
{
    dx_bulk_desc bulk = {0};
    wan_hash_end(&s->hash, s->object.hash);
    s->object.transfer = (uint32_t)wan_load(s->object.hash, 4);
    bulk.object = &s->object;
    bulk.rate = s->o->rate;
    bulk.window = FLYING_MAX / s->object.chunk_size;
    bulk.timeout_ns = s->o->timeout_ns / 2;
    wan_bulk_begin(&s->bulk, &s->loop.links, s->file, &bulk);
    s->ready = true;
    s->restart = false; /* of the receiver, which has heard of nothing yet */
    for (uint32_t i = 0; i < s->limit; i++)
        if (s->opened[i]) add_link(s, i);
}

/* A receiver that waits for the rest of a file gives up when it hears nothing. */
static void tell_hashed(send *s, uint64_t now)
{
    uint8_t payload[8];
    if (!s->joined || now - s->told_ns < WAN_TELL_NS) return;
    s->told_ns = now;
    s->signs += s->spooling && s->starved; /* a number that is told twice is no sign of life */
    wan_store(payload, (s->spooling ? s->object.size : s->spooled) + s->signs + s->hash.bytes, sizeof payload);
    for (uint32_t i = 0; i < s->limit; i++) {
        dx_hbtp_session *session = s->opened[i] ? dx_link_session(&s->loop.links, s->opened[i]) : NULL;
        if (session) (void)dx_hbtp_notify(session, WAN_OP_HASHED, 0, payload, sizeof payload);
    }
}

/* Store a part of standard input. */
static void take_input(send *s, uint64_t now)
{
    const int status = spool_part(s);
    if (status) finish(s, status);
    if (s->spooling) {
        tell_hashed(s, now);
        return;
    }
    s->spooled = s->object.size;
    s->object.chunk_size = chunk_size_of(s->object.size);
}

/* Hash a part of the file. */
static void hash_part(send *s, uint64_t now)
{
    if (s->hash.bytes < s->object.size && wan_hash_step(&s->hash, s->file, s->object.size) < 0) {
        if (errno == EIO)
            finish(s, prog_fail(PROG_REFUSED, "%s: became shorter while it was read", s->o->file));
        else finish(s, prog_fail_errno("%s", s->o->file));
        return;
    }
    const bool whole = s->hash.bytes == s->object.size;
    prog_progress("hashed", s->hash.bytes, s->object.size, whole);
    if (whole) begin_transfer(s);
    else tell_hashed(s, now);
}

/* >>loop ----------------------------------------------------------------- */
/* A dialer waits longer after each link that lived briefly. One that moved the transfer forward is no
   reason to wait. */
static void dial_again(send *s)
{
    for (uint32_t i = 0; i < s->limit; i++) {
        if (!s->again[i]) continue;
        s->again[i] = false;
        if (!s->dialed[i]) continue; /* it is not wanted any more */
        dx_link_dial_end(&s->dialers[i]);
        (void)dx_link_dial(&s->loop.links, &s->dialers[i], &s->at, s->seed++);
    }
}

/* Bytes that the wanted streams have delivered since the last look. Tells the controller the loss and the
   queue of the path, from the kernel's statistics. */
static uint64_t look(send *s)
{
    const wan_paths *all = &s->paths;
    uint64_t bytes = 0;
    s->segments -= s->segments / 4; /* older segments count less */
    s->repeated -= s->repeated / 4;
    for (uint32_t i = 0; i < s->limit; i++) {
        if (!s->opened[i]) continue;
        const wan_paths grown = wan_path_look(&s->last[i], wan_loop_fd(&s->loop.links, s->opened[i]));
        if (s->dialed[i]) bytes += grown.delivered;
        wan_choice_add(&s->choices[i], grown.delivered);
        s->segments += grown.segments;
        s->repeated += grown.retransmitted;
        s->repeated_all += grown.retransmitted;
    }
    s->control.has_path = all->connections && all->rtt_min_us && s->segments;
    if (!s->control.has_path) return bytes;
    const uint64_t rtt_us = all->rtt_sum_us / all->connections;
    s->control.loss_ppm = (uint32_t)(s->repeated * 1000000 / s->segments);
    s->control.bears_loss = !strncmp(s->congestion, "bbr", 3);
    if (!s->control.bears_loss && all->rtt_min_us < YIELDS_US) {
        s->control.yields = true;
        s->control.count_min = STREAMS_MIN;
    }
    const uint64_t queue_us = rtt_us > all->rtt_min_us + QUEUE_US ? rtt_us - all->rtt_min_us : 0;
    s->control.queue_percent = (uint32_t)(queue_us * 100 / all->rtt_min_us);
    s->control.interval_ns = 2000 * rtt_us + SECOND / 10;
    if (s->control.interval_ns < INTERVAL_MIN_NS) s->control.interval_ns = INTERVAL_MIN_NS;
    if (s->control.interval_ns > INTERVAL_MAX_NS) s->control.interval_ns = INTERVAL_MAX_NS;
    return bytes;
}

/* Less unsent data in the kernel while each stream is slow: a chunk that waits there cannot go over another. */
static void limit_unsent(send *s)
{
    const uint64_t wanted = s->speed / s->wanted / UNSENT_PARTS;
    uint32_t bytes = UNSENT_MIN;
    while (bytes < UNSENT_MAX && bytes < wanted) bytes *= 2;
    if (bytes == s->unsent) return;
    s->unsent = bytes;
    for (uint32_t i = 0; i < s->limit; i++)
        if (s->opened[i]) wan_path_set_unsent(wan_loop_fd(&s->loop.links, s->opened[i]), bytes);
}

/* As many streams as the path needs. Only the time counts in which they are the limit, not --rate, the
   receiver's disk or the end of the file. */
static void control(send *s, uint64_t took_ns)
{
    const dx_bulk *b = &s->bulk.bulk;
    const uint64_t done = b->metrics.bytes_done, rate = s->o->rate;
    const uint64_t bytes = look(s);
    if (b->state != DX_BULK_RUNNING) return;
    s->speed = s->speed - s->speed / 4 + bytes * 1000 / (took_ns / 1000000 + 1) / 4;
    limit_unsent(s);
    if (s->o->send_streams) return; /* --streams */
    if (rate && s->speed >= rate - rate / 8) return;
    if (done + b->metrics.in_flight * s->object.chunk_size >= s->object.size) return;
    if (b->metrics.connections > s->wanted) return; /* others still finish, and share the path */
    s->full_ns += took_ns;
    s->delivered += bytes;
    if (!s->control.has_path) s->delivered = done; /* the kernel does not count them */
    s->wanted = dx_bulk_control_update(&s->control, s->delivered, s->full_ns);
    adjust(s);
}

/* After each turn. */
static void tick(send *s, uint64_t now)
{
    const dx_bulk *b = &s->bulk.bulk;
    const uint64_t hashed = s->joined ? s->spooled + s->hash.bytes : 0; /* without a receiver that is no progress */
    const uint64_t moved = b->metrics.bytes_done + s->bulk.checked + (uint64_t)b->state + s->joined + hashed;
    if (moved != s->moved || (s->spooling && s->joined)) { /* whoever writes the input takes its time */
        s->moved = moved;
        s->moved_ns = now;
    }
    if (s->ready) prog_progress("sent", b->metrics.bytes_done, s->object.size, false);
    if (now - s->looked_ns >= LOOK_NS && b->metrics.connections) {
        s->paths = wan_bulk_paths(&s->bulk);
        control(s, s->looked_ns ? now - s->looked_ns : LOOK_NS);
        s->looked_ns = now;
    }
    if (s->over) return;
    if (s->restart && s->ready && b->state < DX_BULK_DONE) {
        s->restart = false;
        wan_bulk_restart(&s->bulk);
    }
    if (b->state < DX_BULK_DONE) dial_again(s);
    if (b->state == DX_BULK_DONE) finish(s, PROG_OK);
    else if (b->state == DX_BULK_FAILED) finish(s, fail_transfer(s));
    else if (wan_loop_is_ended(&s->loop)) {
        if (s->ready) (void)dx_bulk_stop(&s->bulk.bulk, DX_HBTP_STATUS_UNAVAILABLE, 0, now);
        finish(s, prog_fail(PROG_NETWORK, "the transfer was interrupted; send again to resume"));
    } else if (now - s->moved_ns >= s->o->timeout_ns) finish(s, fail_silence(s));
}

static int run(send *s)
{
    uint64_t wake = 0;
    int status = PROG_OK;
    while (!s->over && !status) {
        const uint64_t now = dx_reactor_refresh_now_ns(&s->loop.reactor); /* --rate: the clock of wan_bulk_pump() */
        if (!s->ready) {
            if (s->spooling) take_input(s, now);
            else hash_part(s, now);
            const bool waits = s->spooling && s->starved;
            if (!s->over && !status) status = wan_loop_turn(&s->loop, waits ? now + INPUT_NS : now);
            tick(s, (uint64_t)prog_now_ns());
            continue;
        }
        if (s->bulk.stale || now >= wake) {
            wan_bulk_pump_all(&s->bulk);
            wake = dx_bulk_wake(&s->bulk.bulk, now);
        }
        const uint64_t sooner = dx_bulk_wake(&s->bulk.bulk, now);
        if (sooner < wake) wake = sooner;
        status = wan_loop_turn(&s->loop, wake);
        tick(s, (uint64_t)prog_now_ns());
    }
    prog_progress("sent", s->bulk.bulk.metrics.bytes_done, s->object.size, true);
    for (uint32_t i = 0; i < s->limit; i++) dx_link_dial_end(&s->dialers[i]);
    if (s->ready) wan_bulk_pump_all(&s->bulk); /* the receiver is told that it ends */
    if (s->bulk.bulk.state == DX_BULK_DONE) wan_loop_leave(&s->loop); /* a round trip less */
    else wan_loop_drain(&s->loop);
    return status ? status : s->status;
}

static int start(send *s)
{
    dx_link_desc links = {0};
    int status = wan_address_find(&s->at, s->o->address);
    if (status) return status;
    s->limit = s->o->send_streams ? s->o->send_streams : WAN_STREAMS_MAX;
    s->wanted = s->o->send_streams ? s->o->send_streams : STREAMS;
    s->control.count = s->wanted;
    s->control.count_min = STREAMS;
    links.links_max = s->limit;
    links.block_size = s->object.chunk_size + 4096;
    links.user = s;
    links.opened = on_opened;
    links.writable = on_writable;
    links.closed = on_closed;
    links.session.on_result = on_result;
    status = wan_loop_open(&s->loop, &links, s->o, false);
    if (status) return status;
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    s->began_ns = s->moved_ns = (uint64_t)prog_now_ns();
    (void)os_random(&s->seed, sizeof s->seed);
    for (uint32_t i = 0; i < s->wanted; i++) {
        if (dx_link_dial(&s->loop.links, &s->dialers[i], &s->at, s->seed++))
            return prog_fail(PROG_USAGE, "cannot connect to %s", s->o->address);
        s->dialed[i] = true;
    }
    return PROG_OK;
}

static void put_handshakes(const send *s, prog_json *j)
{
    uint64_t all, resumed;
    if (!s->loop.tls) return;
    wan_tls_handshakes(s->loop.tls, &all, &resumed);
    prog_json_number(j, "tls_handshakes", all);
    prog_json_number(j, "tls_resumed", resumed);
}

static void report(const send *s)
{
    const dx_bulk_metrics *m = &s->bulk.bulk.metrics;
    const double seconds = (double)((uint64_t)prog_now_ns() - s->began_ns) / 1e9;
    char size[32], sent[32], hash[65];
    prog_json j;
    if (s->o->quiet) return;
    if (s->o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "name", s->join.name);
        prog_json_number(&j, "size", s->object.size);
        prog_json_number(&j, "sent_bytes", m->bytes);
        prog_json_number(&j, "link_bytes", s->loop.links.sent);
        prog_json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
        prog_json_number(&j, "streams", s->wanted);
        prog_json_number(&j, "connections_opened", m->opened);
        prog_json_number(&j, "connections_lost", m->dropped > s->retired ? m->dropped - s->retired : 0);
        prog_json_number(&j, "chunks_resent", m->chunks_resent);
        prog_json_number(&j, "retransmitted_segments", s->repeated_all);
        prog_json_number(&j, "rtt_us", s->paths.rtt_us);
        prog_json_number(&j, "ecn_connections", s->paths.ecn);
        put_handshakes(s, &j);
        prog_json_text(&j, "congestion_control", s->congestion);
        prog_json_hash(&j, "blake3", s->object.hash);
        prog_json_end(&j);
        return;
    }
    prog_say("%s: %s byte%s, %s sent in %.2f s (%.1f MB/s), %u connection%s, %s, round trip %.1f ms, "
             "%llu segment%s repeated\n", s->join.name, prog_count_text(s->object.size, size),
             prog_plural(s->object.size), prog_count_text(m->bytes, sent), seconds,
             (double)m->bytes / 1e6 / (seconds + 1e-9), s->wanted, prog_plural(s->wanted), s->congestion,
             s->paths.rtt_us / 1000.0, (unsigned long long)s->repeated_all, prog_plural(s->repeated_all));
    prog_say("blake3 %s\n", prog_hash_text(s->object.hash, hash));
}

int wan_send(const wan_options *o)
{
    send *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->o = o;
    s->file = -1;
    int status = open_file(s);
    if (!status) {
        status = start(s);
        if (!status) status = run(s);
        if (!status) report(s);
        wan_loop_close(&s->loop);
        wan_bulk_end(&s->bulk);
    }
    if (s->file >= 0) os_close(s->file);
    free(s);
    return status;
}
