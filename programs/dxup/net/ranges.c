/* A transfer in ranges of 1 MiB over several connections; the client's side.

       ranges   | taken | taken | arriving | in the spool | asked | free | ...
                                ^ front: everything before it went to take(), in order

   Each connection asks for ASKED_AT_ONCE ranges, the earliest free ones. Bytes at the front go
   directly to take(); bytes beyond it wait in the spool, an unnamed file. When a connection is lost
   its ranges become free again, from where they broke off. */
#include "ranges.h"
#include "../../common/os.h"
#include "wire.h"

#include "../../../dx_hbtp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_SIZE    = 2 * 65536 + 4096, /* the largest frame, and then some */
    ASKED_AT_ONCE   = 2,                /* on one connection, so that it never waits */
    FAILURES_MAX    = 3,                /* of one connection in a row without a byte */
    RANGES_MAX      = 1 << 24,
    CONNECT_LIMIT_S = 10,
    SILENCE_LIMIT_S = 60
};

typedef struct range {
    uint32_t got;   /* bytes that have arrived, from its front on */
    bool     asked; /* on some connection, or complete */
} range;

typedef struct part { /* a connection */
    dxup_ranges         *all;
    int                 fd;
    bool                open;
    bool                closing;
    bool                sending;   /* send_op is pending */
    bool                receiving; /* receive_op is pending */
    unsigned            failures;  /* in a row */
    dx_op               connect_op;
    dx_op               deadline_op;
    dx_op               receive_op;
    dx_op               send_op;
    dx_op               close_op;
    dx_hbtp_session     session;
    dx_hbtp_out         out;
    uint32_t            asked[ASKED_AT_ONCE]; /* ranges, in the order in which they come */
    unsigned            count;
    uint8_t             out_memory[4096];
    uint8_t            *input;
    size_t              taken; /* input[taken..input_size) is still to be dispatched */
    size_t              input_size;
    _Alignas(8) uint8_t session_memory[1024];
} part;

struct dxup_ranges {
    dxup_ranges_desc d;
    dx_hbtp_router  router;
    part           *parts;
    range          *ranges;
    uint32_t        count;      /* of ranges */
    uint32_t        first_free; /* all ranges before it are asked for or complete */
    uint64_t        front;      /* bytes that were taken */
    int             spool;      /* the unnamed file */
    bool            over;       /* d.ended() was called */
};

/* Report the end, once. */
static void end(dxup_ranges *a, int status)
{
    if (a->over) return;
    a->over = true;
    a->d.ended(a->d.user, status);
}

static uint32_t range_size(const dxup_ranges *a, uint32_t i)
{
    assert(i < a->count);
    uint64_t left = a->d.size - (uint64_t)i * DXUP_RANGE_SIZE;
    return left < DXUP_RANGE_SIZE ? (uint32_t)left : DXUP_RANGE_SIZE;
}

/* >>what arrives ------------------------------------------------------- */
/* Take bytes from the spool that follow the front without a gap. */
static int drain(dxup_ranges *a)
{
    uint8_t buffer[PROG_IO_SIZE];
    assert(a->front <= a->d.size);
    while (a->front < a->d.size) {
        uint32_t i = (uint32_t)(a->front / DXUP_RANGE_SIZE),
                 at = (uint32_t)(a->front % DXUP_RANGE_SIZE);
        size_t n = a->ranges[i].got - at < sizeof buffer ? a->ranges[i].got - at : sizeof buffer;
        if (!n) return PROG_OK;
        for (size_t done = 0; done < n;) {
            int64_t got = os_read_at(a->spool, a->front + done, buffer + done, n - done);
            if (got <= 0) return prog_fail_errno("a temporary file");
            done += (size_t)got;
        }
        int status = a->d.take(a->d.user, a->front, buffer, n);
        if (status) return status;
        a->front += n;
    }
    end(a, PROG_OK);
    return PROG_OK;
}

/* Bytes of a range have arrived. */
static int store(dxup_ranges *a, range *r, uint64_t offset, const uint8_t *bytes, size_t size)
{
    r->got += (uint32_t)size;
    assert(r->got <= DXUP_RANGE_SIZE);
    if (offset != a->front)
        return os_write_at(a->spool, offset, bytes, size) < 0 ? prog_fail_errno("a temporary file")
                                                              : PROG_OK;
    /* in order: directly, without the spool */
    int status = a->d.take(a->d.user, offset, bytes, size);
    assert(offset == a->front);
    a->front += size;
    return status ? status : drain(a);
}

static void ask(part *p);
static int on_file_chunk(const dx_hbtp_context *context)
{
    part *p = context->session->desc.user;
    dxup_ranges *a = p->all;
    dx_hbtp_file_chunk chunk;
    uint32_t i = p->asked[0];
    if (a->over) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    if (error || !p->count || chunk.transfer != i + 1 || !chunk.data_size ||
        chunk.offset != (uint64_t)i * DXUP_RANGE_SIZE + a->ranges[i].got ||
        chunk.data_size > range_size(a, i) - a->ranges[i].got) {
        end(a, prog_fail(PROG_DAMAGED, "a chunk of the transfer is wrong: %s",
                         dx_hbtp_error_name(error ? error : DX_HBTP_ECORRUPT)));
        return 0;
    }
    p->failures = 0;
    int status = store(a, &a->ranges[i], chunk.offset, chunk.data, chunk.data_size);
    if (status) end(a, status);
    if (a->ranges[i].got < range_size(a, i)) return 0;
    memmove(p->asked, p->asked + 1, --p->count * sizeof *p->asked);
    ask(p);
    return 0;
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    part *p = session->desc.user;
    if (p->all->over || !r->error || r->error == DX_HBTP_ECANCELED) return;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        end(p->all, prog_fail(PROG_NETWORK, "the server no longer has this version of '%s'",
                              p->all->d.name));
    else
        end(p->all, prog_fail(PROG_NETWORK, "the server refused a range: %u", r->status));
}

/* >>connections -------------------------------------------------------- */
static void send_more(part *p)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&p->out, &size);
    if (!p->open || p->sending || !size) return;
    p->sending = !dx_reactor_send(p->all->d.reactor, &p->send_op, p->fd, bytes, (uint32_t)size);
}

/* Ask for the earliest free ranges, up to ASKED_AT_ONCE. */
static void ask(part *p)
{
    dxup_ranges *a = p->all;
    uint8_t request[512];
    while (p->open && !a->over && p->count < ASKED_AT_ONCE) {
        while (a->first_free < a->count && a->ranges[a->first_free].asked) a->first_free++;
        uint32_t i = a->first_free;
        if (i == a->count) break;
        range_request_writer w;
        size_t size = 0;
        range_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
        range_request_set_offset(&w, (uint64_t)i * DXUP_RANGE_SIZE + a->ranges[i].got);
        range_request_set_size(&w, range_size(a, i) - a->ranges[i].got);
        range_request_set_transfer(&w, i + 1);
        range_request_set_flags(&w, a->d.flags);
        range_request_set_target(&w, a->d.target);
        range_request_set_have(&w, a->d.have);
        range_request_put_name(&w, a->d.name, strlen(a->d.name));
        if (range_request_finish(&w, &size) ||
            dx_hbtp_call(&p->session, DXUP_RPC_RANGE, request, size, UINT64_MAX, NULL, NULL))
            break;
        assert(p->count < ASKED_AT_ONCE);
        a->ranges[i].asked = true;
        p->asked[p->count++] = i;
    }
    send_more(p);
}

/* A connection is lost: its ranges go to the others; dxup_ranges_tick() reconnects. */
static void lose(part *p)
{
    dxup_ranges *a = p->all;
    if (p->closing) return;
    assert(p->count <= ASKED_AT_ONCE);
    p->closing = true;
    p->open = false;
    p->failures++;
    dx_hbtp_abort(&p->session);
    for (unsigned i = 0; i < p->count; i++) {
        a->ranges[p->asked[i]].asked = false;
        if (p->asked[i] < a->first_free) a->first_free = p->asked[i];
    }
    p->count = 0;
    if (dx_reactor_close_fd(a->d.reactor, &p->close_op, p->fd)) os_close_socket(p->fd);
    p->fd = -1;
    bool any = false;
    for (unsigned i = 0; i < a->d.connections; i++) {
        any |= a->parts[i].failures < FAILURES_MAX;
        ask(&a->parts[i]); /* idle ones take over its ranges */
    }
    if (!any && !a->over) end(a, prog_fail(PROG_NETWORK, "all connections were lost"));
}

/* Back-pressure: while the input is full of frames that wait for room for their answers (a flood of
   Pings), nothing more is received; the server has to read our answers first. */
static void receive_more(part *p)
{
    if (!p->open || p->receiving) return;
    assert(p->taken <= p->input_size && p->input_size <= RECEIVE_SIZE);
    p->input_size -= p->taken;
    memmove(p->input, p->input + p->taken, p->input_size);
    p->taken = 0;
    if (p->input_size == RECEIVE_SIZE) return;
    p->receiving = !dx_reactor_recv(p->all->d.reactor, &p->receive_op, p->fd,
                                    p->input + p->input_size,
                                    (uint32_t)(RECEIVE_SIZE - p->input_size));
    if (!p->receiving) lose(p);
}

/* Dispatch received frames, as far as there is room for the answers. */
static void dispatch(part *p)
{
    dxup_ranges *a = p->all;
    assert(p->taken <= p->input_size);
    int64_t used = dx_hbtp_feed(&p->session, p->input + p->taken, p->input_size - p->taken,
                                dx_reactor_now_ns(a->d.reactor));
    if (a->over) return;
    if (used < 0 || p->session.state == DX_HBTP_CLOSED) {
        lose(p);
        return;
    }
    p->taken += (size_t)used;
    send_more(p);
    receive_more(p);
}

static void on_sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    part *p = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    p->sending = false;
    if (result < 0 || !p->open) return; /* on_received() reports the reason */
    *p->all->d.sent += (uint64_t)result;
    dx_hbtp_out_consume(&p->out, (size_t)result);
    send_more(p);
    if (p->session.state == DX_HBTP_WANTS_OUTPUT) dispatch(p);
}

static void on_received(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    part *p = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    p->receiving = false;
    if (!p->open || p->all->over) return;
    if (result <= 0) {
        lose(p);
        return;
    }
    *p->all->d.received += (uint64_t)result;
    p->input_size += (size_t)result;
    dispatch(p);
}

static void on_connected(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    part *p = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    if (p->closing || p->all->over) return;
    if (result < 0) {
        lose(p);
        return;
    }
    p->open = true;
    ask(p);
    receive_more(p);
}

/* Start a connection, or count a failure. */
static void connect_part(part *p)
{
    dxup_ranges *a = p->all;
    assert(!p->open && !p->count && p->failures < FAILURES_MAX);
    dx_hbtp_session_desc desc = {0};
    p->closing = false;
    p->sending = false;
    p->receiving = false;
    p->taken = 0;
    p->input_size = 0;
    if (!p->input) p->input = prog_alloc(RECEIVE_SIZE);
    dx_hbtp_out_init(&p->out, p->out_memory, sizeof p->out_memory);
    desc.memory = p->session_memory;
    desc.memory_size = sizeof p->session_memory;
    desc.out = &p->out;
    desc.router = &a->router;
    desc.on_result = on_result;
    desc.user = p;
    desc.payload_max = RECEIVE_SIZE - DX_HBTP_HEADER_SIZE - DX_HBTP_CHECKSUM_SIZE;
    desc.frames_max = RECEIVE_SIZE / DX_HBTP_HEADER_SIZE; /* all of the input in one turn */
    desc.outstanding_max = ASKED_AT_ONCE + 1;
    desc.pending_max = 1;
    desc.keepalive_ns = (uint64_t)SILENCE_LIMIT_S / 2 * 1000000000;
    desc.in_place = true;
    if (dx_hbtp_session_init(&p->session, &desc) ||
        dx_reactor_socket_tcp(a->d.reactor, a->d.address, DX_REACTOR_NODELAY, &p->fd)) {
        p->fd = -1;
        p->failures++;
        return;
    }
    if (dx_reactor_connect(a->d.reactor, &p->connect_op, p->fd, a->d.address)) lose(p);
    else
        dx_reactor_deadline(a->d.reactor, &p->deadline_op, &p->connect_op,
                            (uint64_t)CONNECT_LIMIT_S * 1000000000);
}

/* Is an operation of its last connection still pending? */
static bool is_busy(const part *p)
{
    return p->fd >= 0 || dx_reactor_op_pending(&p->connect_op) ||
           dx_reactor_op_pending(&p->deadline_op) || dx_reactor_op_pending(&p->receive_op) ||
           dx_reactor_op_pending(&p->send_op) || dx_reactor_op_pending(&p->close_op);
}

/* >>all ---------------------------------------------------------------- */
void dxup_ranges_tick(dxup_ranges *a)
{
    for (unsigned i = 0; i < a->d.connections && !a->over; i++) {
        part *p = &a->parts[i];
        if (p->open) {
            dx_hbtp_tick(&p->session, dx_reactor_now_ns(a->d.reactor));
            if (p->session.state == DX_HBTP_CLOSED) lose(p);
            else send_more(p);
        } else if (p->failures < FAILURES_MAX && !is_busy(p)) {
            connect_part(p);
        }
    }
}

int dxup_ranges_start(dxup_ranges **parts, const dxup_ranges_desc *desc)
{
    char name[PROG_PATH_SIZE_MAX + 64];
    size_t length = strlen(desc->path);
    if (desc->size / DXUP_RANGE_SIZE >= RANGES_MAX)
        return prog_fail(PROG_REFUSED, "the transfer is too large for several connections");
    while (length > 1 && desc->path[length - 1] == '/') length--;
    snprintf(name, sizeof name, "%.*s.dxup-parts", (int)length, desc->path);
    dxup_ranges *a = prog_alloc(sizeof *a);
    memset(a, 0, sizeof *a);
    a->d = *desc;
    a->spool = os_open_unnamed(name);
    a->count = (uint32_t)((desc->size + DXUP_RANGE_SIZE - 1) / DXUP_RANGE_SIZE);
    if (a->d.connections > a->count) a->d.connections = a->count;
    a->ranges = prog_alloc(a->count * sizeof *a->ranges);
    memset(a->ranges, 0, a->count * sizeof *a->ranges);
    assert(desc->from < desc->size);
    a->front = desc->from;
    for (uint32_t i = 0; i < desc->from / DXUP_RANGE_SIZE; i++)
        a->ranges[i] = (range){.got = DXUP_RANGE_SIZE, .asked = true};
    a->ranges[desc->from / DXUP_RANGE_SIZE].got = (uint32_t)(desc->from % DXUP_RANGE_SIZE);
    a->parts = prog_alloc(a->d.connections * sizeof *a->parts);
    memset(a->parts, 0, a->d.connections * sizeof *a->parts);
    dx_hbtp_router_init(&a->router);
    dx_hbtp_router_set(&a->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL);
    *parts = a;
    for (unsigned i = 0; i < a->d.connections; i++) {
        part *p = &a->parts[i];
        p->all = a;
        p->fd = -1;
        dx_reactor_op_init(&p->connect_op, on_connected, p);
        dx_reactor_op_init(&p->deadline_op, NULL, p);
        dx_reactor_op_init(&p->receive_op, on_received, p);
        dx_reactor_op_init(&p->send_op, on_sent, p);
        dx_reactor_op_init(&p->close_op, NULL, p);
    }
    if (a->spool < 0) return prog_fail_errno("%s", name);
    dxup_ranges_tick(a);
    return PROG_OK;
}

void dxup_ranges_free(dxup_ranges *a)
{
    if (!a) return;
    for (unsigned i = 0; i < a->d.connections; i++) {
        if (a->parts[i].fd >= 0) os_close_socket(a->parts[i].fd);
        free(a->parts[i].input);
    }
    if (a->spool >= 0) os_close(a->spool);
    free(a->parts);
    free(a->ranges);
    free(a);
}
