/* A transfer in ranges of 1 MiB over several connections; the client's side.

       ranges   | taken | taken | arriving | in the spool | asked | free | ...
                                ^ front: everything before it went to take(), in order

   Each connection, a link of dx_link.h, requests ASKED_AT_ONCE ranges, the first free ones. Bytes at
   the front go directly to take(); bytes beyond it wait in the spool, an unnamed file. If a connection
   is lost, its ranges become free again, from the first missing byte. A server that shuts down
   finishes the ranges that it has begun and refuses the others, which become free, too. */
#include "ranges.h"
#include "../../common/os.h"
#include "../../sync/loop.h"
#include "../../sync/silence.h"
#include "../../sync/wire.h"

#include "../../../layers/dx_link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX     = 2 * 65536, /* of a frame; servers send half of it */
    OUT_SIZE        = 4096,      /* for requests and Pongs of a connection */
    ASKED_AT_ONCE   = 2,         /* per connection, so that it never idles */
    FAILURES_MAX    = 3,         /* in a row without a byte, per connection */
    RANGES_MAX      = 1 << 24
};

typedef struct range {
    uint32_t got;   /* bytes received from its start */
    bool     asked; /* on some connection, or complete */
} range;

typedef struct part { /* a connection */
    dxup_ranges *all;
    dx_link_id   id;       /* 0: none; another may be opened */
    bool         open;     /* accepts requests */
    unsigned     failures; /* in a row */
    uint32_t     asked[ASKED_AT_ONCE]; /* ranges, in the order of their answers */
    unsigned     count;
} part;

struct dxup_ranges {
    dxup_ranges_desc d;
    dx_hbtp_router  router;
    dx_link         links;
    void           *links_memory;
    part           *parts;
    range          *ranges;
    uint32_t        count;      /* of ranges */
    uint32_t        first_free; /* all ranges before it are requested or complete */
    uint64_t        front;      /* bytes taken */
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
/* Take bytes from the spool that continue the front without a gap. */
static int drain(dxup_ranges *a)
{
    uint8_t buffer[PROG_IO_SIZE];
    assert(a->front <= a->d.size);
    while (a->front < a->d.size) {
        uint32_t i = (uint32_t)(a->front / DXUP_RANGE_SIZE),
                 at = (uint32_t)(a->front % DXUP_RANGE_SIZE);
        size_t n = a->ranges[i].got - at < sizeof buffer ? a->ranges[i].got - at : sizeof buffer;
        if (!n) return PROG_OK;
        if (prog_read_at(a->spool, a->front, buffer, n) != (int64_t)n)
            return prog_fail_errno("the temporary file for parallel transfers");
        int status = a->d.take(a->d.user, a->front, buffer, n);
        if (status) return status;
        a->front += n;
    }
    end(a, PROG_OK);
    return PROG_OK;
}

/* Store received bytes of a range. */
static int store(dxup_ranges *a, range *r, uint64_t offset, const uint8_t *bytes, size_t size)
{
    r->got += (uint32_t)size;
    assert(r->got <= DXUP_RANGE_SIZE);
    if (offset != a->front)
        return os_write_at(a->spool, offset, bytes, size) < 0
                   ? prog_fail_errno("the temporary file for parallel transfers")
                   : PROG_OK;
    /* in order: bypass the spool */
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
        end(a, prog_fail(PROG_DAMAGED, "the server sent a bad chunk: %s",
                         error ? dxup_protocol_text(error) : "it was not asked for"));
        return 0;
    }
    p->failures = 0;
    dxup_rate_use(a->d.rate, chunk.data_size);
    int status = store(a, &a->ranges[i], chunk.offset, chunk.data, chunk.data_size);
    if (status) end(a, status);
    if (a->ranges[i].got < range_size(a, i)) return 0;
    memmove(p->asked, p->asked + 1, --p->count * sizeof *p->asked);
    ask(p);
    return 0;
}

/* Free a range: another connection may request it from its first missing byte. */
static void set_free(dxup_ranges *a, uint32_t i)
{
    assert(i < a->count && a->ranges[i].asked);
    a->ranges[i].asked = false;
    if (i < a->first_free) a->first_free = i;
}

/* The server shuts down and has not begun this range. */
static void return_to_queue(part *p, uint32_t i)
{
    unsigned left = 0;
    p->open = false;
    for (unsigned k = 0; k < p->count; k++)
        if (p->asked[k] != i) p->asked[left++] = p->asked[k];
    assert(left + 1 == p->count);
    p->count = left;
    set_free(p->all, i);
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    part *p = session->desc.user;
    if (p->all->over || !r->error || r->error == DX_HBTP_ECANCELED) return;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_UNAVAILABLE) {
        return_to_queue(p, (uint32_t)((range *)r->user - p->all->ranges));
        return;
    }
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        end(p->all, prog_fail(PROG_NETWORK, "the server no longer has this version of '%s'",
                              p->all->d.name));
    else
        end(p->all, prog_fail(PROG_NETWORK, "the server refused a range of the transfer: status "
                                            "%u", r->status));
}

/* >>connections -------------------------------------------------------- */
/* Request the first free ranges, up to ASKED_AT_ONCE. */
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
            dx_hbtp_call(dx_link_session(&a->links, p->id), DXUP_RPC_RANGE, request, size,
                         UINT64_MAX, &a->ranges[i], NULL))
            break;
        assert(p->count < ASKED_AT_ONCE);
        a->ranges[i].asked = true;
        p->asked[p->count++] = i;
    }
}

/* A connection is lost: free its ranges; dxup_ranges_tick() reconnects. */
static void lose(part *p)
{
    dxup_ranges *a = p->all;
    assert(p->count <= ASKED_AT_ONCE);
    p->open = false;
    p->failures++;
    for (unsigned i = 0; i < p->count; i++) set_free(a, p->asked[i]);
    p->count = 0;
    bool any = false;
    for (unsigned i = 0; i < a->d.connections; i++) {
        any |= a->parts[i].failures < FAILURES_MAX;
        ask(&a->parts[i]); /* idle connections request its ranges */
    }
    if (!any && !a->over) end(a, prog_fail(PROG_NETWORK, "all connections were lost"));
}

static void on_opened(dx_link *l, dx_link_id id)
{
    part *p = dx_link_session(l, id)->desc.user;
    assert(p->id == id && !p->count);
    p->open = true;
    dxup_rate_begin(p->all->d.rate, dx_link_fd(l, id));
    ask(p);
}

/* The session has ended, so no more data arrives: free its ranges before the connection closes. */
static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    part *p = session->desc.user;
    (void)frame;
    if (event == DX_HBTP_EVENT_DRAIN) p->open = false; /* send no more requests */
    if (event == DX_HBTP_EVENT_CLOSED && !p->all->over) lose(p);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    part *p = dx_link_session(l, id)->desc.user;
    (void)reason;
    p->id = 0;
}

/* Start a connection; if that fails, count a failure. */
static void connect_part(part *p)
{
    dxup_ranges *a = p->all;
    assert(!p->open && !p->count && p->failures < FAILURES_MAX);
    if (dx_link_connect(&a->links, a->d.address, &p->id)) {
        p->id = 0;
        lose(p);
        return;
    }
    dx_link_session(&a->links, p->id)->desc.user = p;
}

/* >>all ---------------------------------------------------------------- */
void dxup_ranges_tick(dxup_ranges *a)
{
    for (unsigned i = 0; i < a->d.connections && !a->over; i++) {
        part *p = &a->parts[i];
        if (!p->id && p->failures < FAILURES_MAX) connect_part(p);
    }
}

/* Open the links that the connections share. */
static int open_links(dxup_ranges *a)
{
    dx_link_desc desc = {0};
    desc.links_max = a->d.connections;
    desc.out_size = OUT_SIZE;
    desc.block_count = DXUP_INPUT_BLOCKS * a->d.connections;
    desc.session.router = &a->router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = ASKED_AT_ONCE + 1; /* and the Hello */
    desc.session.pending_max = 1;
    desc.session.keepalive_ns = dxup_silence_ping_ns(a->d.timeout_s);
    desc.opened = on_opened;
    desc.closed = on_closed;
    dx_hbtp_router_init(&a->router);
    dx_hbtp_router_set(&a->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL);
    return dxup_links_open(&a->links, a->d.reactor, &desc, &a->links_memory);
}

int dxup_ranges_start(dxup_ranges **parts, const dxup_ranges_desc *desc)
{
    char name[PROG_PATH_SIZE_MAX + 64];
    size_t length = strlen(desc->path);
    if (desc->size / DXUP_RANGE_SIZE >= RANGES_MAX)
        return prog_fail(PROG_REFUSED, "the transfer is too large for parallel connections; pull "
                                       "without --connections");
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
    *parts = a;
    for (unsigned i = 0; i < a->d.connections; i++) a->parts[i].all = a;
    if (a->spool < 0) return prog_fail_errno("%s", name);
    int status = open_links(a);
    if (!status) dxup_ranges_tick(a);
    return status;
}

uint64_t dxup_ranges_received(const dxup_ranges *a) { return a ? a->links.received : 0; }

void dxup_ranges_end(dxup_ranges *a)
{
    if (a) a->over = true;
}

void dxup_ranges_free(dxup_ranges *a)
{
    if (!a) return;
    *a->d.sent += a->links.sent;
    *a->d.received += a->links.received;
    free(a->links_memory);
    if (a->spool >= 0) os_close(a->spool);
    free(a->parts);
    free(a->ranges);
    free(a);
}
