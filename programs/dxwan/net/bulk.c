/* A transfer on links. See bulk.h. */
#include "bulk.h"

#include "thin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTROL_SIZE = 256, /* bytes of a block for any control frame */
    PREFIX       = DX_HBTP_FILE_CHUNK_PREFIX
};

const char *wan_bulk_fault_text(int error)
{
    switch (error) {
    case DX_BULK_ECORRUPT: return "a frame breaks the rules of the transfer, or is damaged";
    case DX_BULK_ETRUNCATED: return "a frame is truncated";
    case DX_BULK_EVERSION: return "a frame has an unknown version";
    case DX_BULK_ETOOBIG: return "chunks were repeated too often, or the object is too big";
    case DX_BULK_ENOTFOUND: return "a frame is of another transfer";
    case DX_BULK_EINVAL: return "a chunk was announced and did not come";
    case DX_BULK_ETIMEDOUT: return "a connection was silent for too long";
    default: return "a frame is malformed";
    }
}

/* >>file ---------------------------------------------------------------- */
/* dx_bulk_desc.read: straight into the block that will be sent. */
static const void *read_chunk(void *user, uint64_t offset, uint32_t size)
{
    wan_bulk *b = user;
    assert(b->place);
    const int64_t got = prog_read_at(b->file, offset, b->place, size);
    if (got == (int64_t)size) return b->place;
    b->system_error = got < 0 ? errno : 0; /* 0: it has become shorter */
    return NULL;
}

static int write_chunk(void *user, uint64_t offset, const uint8_t *bytes, uint32_t size)
{
    wan_bulk *b = user;
    if (b->arrived) b->arrived(b->user, offset, bytes, size);
    if (wan_thin_write(b->file, offset, bytes, size) == 0) return 0;
    b->system_error = errno;
    return -1;
}

/* >>links ---------------------------------------------------------------- */
void wan_bulk_begin(wan_bulk *b, dx_link *links, int file, const dx_bulk_desc *desc)
{
    dx_bulk_desc d = *desc;
    memset(b, 0, sizeof *b);
    b->links = links;
    b->file = file;
    b->sends = d.object != NULL;
    b->reserve = CONTROL_SIZE;
    if (d.object) {
        d.read = read_chunk;
        b->reserve = d.object->chunk_size + DX_HBTP_FILE_CHUNK_OVERHEAD;
        if (b->reserve < CONTROL_SIZE) b->reserve = CONTROL_SIZE;
        d.user = b;
    } else {
        d.write = write_chunk;
        d.user = b;
    }
    d.connections_max = WAN_STREAMS_MAX;
    d.memory_size = dx_bulk_memory_size(&d);
    b->memory = prog_alloc(d.memory_size);
    d.memory = b->memory;
    b->desc = d;
    const int error = dx_bulk_init(&b->bulk, &b->desc);
    assert(!error && d.memory_size);
    (void)error;
}

void wan_bulk_restart(wan_bulk *b)
{
    for (int i = 0; i < WAN_STREAMS_MAX; i++) {
        wan_stream *s = &b->streams[i];
        dx_hbtp_session *session = s->id ? dx_link_session(b->links, s->id) : NULL;
        if (!session) continue;
        session->desc.user = NULL;
        (void)dx_link_abort(b->links, s->id);
        s->id = 0;
    }
    b->checked = 0;
    (void)dx_bulk_init(&b->bulk, &b->desc); /* as it did the first time */
}

bool wan_bulk_begin_again(wan_bulk *b)
{
    assert(!b->sends);
    if (!b->bulk.known) return false;
    const size_t room = DX_BULK_STATE_SIZE + (size_t)(b->bulk.object.size / b->bulk.object.chunk_size / 8) + 2;
    uint8_t *state = prog_alloc(room);
    const int64_t size = dx_bulk_save(&b->bulk, state, room);
    assert(size > 0);
    wan_bulk_restart(b);
    const int error = dx_bulk_load(&b->bulk, state, (size_t)size);
    free(state);
    return !error;
}

void wan_bulk_end(wan_bulk *b)
{
    free(b->memory);
    b->memory = NULL;
}

static int number_of(const wan_stream *s) { return (int)(s - s->all->streams); }

bool wan_bulk_add(wan_bulk *b, dx_link_id id)
{
    const int number = dx_bulk_open(&b->bulk, dx_reactor_now_ns(b->links->reactor));
    if (number < 0) return false;
    wan_stream *s = &b->streams[number];
    *s = (wan_stream){.all = b, .id = id};
    dx_link_session(b->links, id)->desc.user = s;
    (void)dx_link_call_writable(b->links, id);
    return true;
}

void wan_bulk_retire(wan_bulk *b, dx_link_id id)
{
    dx_hbtp_session *session = dx_link_session(b->links, id);
    wan_stream *s = session ? session->desc.user : NULL;
    if (!s || s->retired) return;
    s->retired = true;
    (void)dx_bulk_retire(&b->bulk, number_of(s));
    (void)dx_link_call_writable(b->links, id);
}

void wan_bulk_remove(wan_bulk *b, dx_link_id id)
{
    dx_hbtp_session *session = dx_link_session(b->links, id);
    wan_stream *s = session ? session->desc.user : NULL;
    if (!s) return;
    session->desc.user = NULL;
    (void)dx_bulk_drop(&b->bulk, number_of(s));
    s->id = 0;
    b->stale = true; /* others send its chunks */
}

/* Count a link that broke a rule, and close it. */
static void expel(wan_stream *s, int error)
{
    wan_bulk *b = s->all;
    if (s->expelled) return;
    s->expelled = true;
    if (error != DX_BULK_ECANCELED && error != DX_BULK_ETIMEDOUT) {
        b->faults++;
        b->fault = error;
    }
    if (error == DX_BULK_ETIMEDOUT) (void)dx_link_abort(b->links, s->id);
    else if (error == DX_BULK_ECANCELED && s->retired)
        (void)dx_link_close(b->links, s->id, DX_HBTP_STATUS_NONE, "");
    else (void)dx_link_close(b->links, s->id, DX_HBTP_STATUS_BAD_REQUEST,
                             wan_bulk_fault_text(error));
}

/* >>input ---------------------------------------------------------------- */
static int handle_hashed(wan_stream *s, const dx_hbtp_frame *f)
{
    wan_bulk *b = s->all;
    if (!b->sends) {
        const bool idle = b->far_done == b->bulk.metrics.bytes_done;
        b->far_done = b->bulk.metrics.bytes_done;
        return wan_signs_add(&b->far, f->payload, f->payload_size, idle) ? DX_BULK_OK : DX_BULK_ECORRUPT;
    }
    if (f->payload_size != 8) return DX_BULK_ECORRUPT;
    const uint64_t bytes = wan_load(f->payload, 8);
    if (bytes > b->bulk.object.size + WAN_SIGNS_MAX) return DX_BULK_ECORRUPT;
    if (bytes > b->checked) b->checked = bytes;
    return DX_BULK_OK;
}

int wan_bulk_handle(wan_stream *s, const dx_hbtp_context *context)
{
    wan_bulk *b = s->all;
    const uint64_t done = b->bulk.metrics.bytes_done;
    const dx_bulk_state state = b->bulk.state;
    int error;
    if (s->error) return DX_HBTP_OK; /* it is about to be closed */
    if (context->frame->opcode == WAN_OP_HASHED) error = handle_hashed(s, context->frame);
    else error = dx_bulk_frame(&b->bulk, number_of(s), context->frame, context->now_ns);
    s->error = error;
    if (b->bulk.metrics.bytes_done > done) {
        b->faults = 0;
        s->useful = true;
    }
    if (b->bulk.state != state) b->stale = true;
    (void)dx_link_call_writable(b->links, s->id); /* what it has to send, once for many frames */
    return DX_HBTP_OK;
}

/* >>output --------------------------------------------------------------- */
/* Write a piece into a block that was reserved. The data of a chunk are there already. */
static int put_piece(dx_hbtp_out *out, const dx_bulk_piece *piece)
{
    dx_hbtp_frame frame;
    if (piece->data_size) {
        uint8_t *payload = dx_hbtp_out_next(out);
        memcpy(payload, piece->head + DX_HBTP_HEADER_SIZE, PREFIX);
        return dx_hbtp_write_frame(out, piece->head[0], piece->head[1], 0, payload,
                                   PREFIX + (size_t)piece->data_size);
    }
    const int64_t size = dx_hbtp_parse(piece->head, piece->head_size, DX_BULK_HEAD_SIZE, &frame);
    const int error = dx_hbtp_resolve_extended(&frame);
    assert(size == (int64_t)piece->head_size && !error);
    (void)size;
    (void)error;
    return dx_hbtp_write_frame(out, frame.opcode, frame.flags, frame.sequence, frame.payload,
                               frame.payload_size);
}

/* Send one piece. 1: sent; 0: none now, or no room; negative: the link ends. */
static int send_piece(wan_stream *s, uint64_t now_ns)
{
    wan_bulk *b = s->all;
    dx_bulk_piece piece;
    dx_hbtp_out out;
    if (dx_link_reserve(b->links, s->id, b->reserve, &out)) return 0; /* writable is called */
    b->place = dx_hbtp_out_next(&out) + PREFIX;
    const int got = dx_bulk_next(&b->bulk, number_of(s), now_ns, &piece);
    b->place = NULL;
    if (got > 0 && put_piece(&out, &piece)) s->error = DX_BULK_EINVAL; /* it has room */
    (void)dx_link_commit(b->links, s->id, &out);
    return got;
}

void wan_bulk_pump(wan_stream *s)
{
    wan_bulk *b = s->all;
    const uint64_t now_ns = dx_reactor_now_ns(b->links->reactor);
    int got = 1;
    while (got > 0 && s->id) got = send_piece(s, now_ns);
    if (!s->id) return;
    if (!s->error && got < 0) s->error = got;
    if (s->error) expel(s, s->error);
}

void wan_bulk_pump_all(wan_bulk *b)
{
    b->stale = false;
    for (int i = 0; i < WAN_STREAMS_MAX; i++) {
        wan_stream *s = &b->streams[i];
        dx_hbtp_session *session = s->id ? dx_link_session(b->links, s->id) : NULL;
        if (!session) continue;
        if (session->counters.frames != s->frames) { /* the session itself takes Pongs */
            const dx_hbtp_frame heard = {.opcode = DX_HBTP_OP_PONG};
            s->frames = session->counters.frames;
            (void)dx_bulk_frame(&b->bulk, i, &heard, dx_reactor_now_ns(b->links->reactor));
        }
        wan_bulk_pump(s);
    }
}

void wan_bulk_tell_hashed(wan_bulk *b, uint64_t bytes)
{
    uint8_t payload[8];
    wan_store(payload, bytes, 8);
    for (int i = 0; i < WAN_STREAMS_MAX; i++) {
        dx_hbtp_session *session =
            b->streams[i].id ? dx_link_session(b->links, b->streams[i].id) : NULL;
        if (session) (void)dx_hbtp_notify(session, WAN_OP_HASHED, 0, payload, sizeof payload);
    }
}

wan_paths wan_bulk_paths(const wan_bulk *b)
{
    wan_paths paths = {0};
    for (int i = 0; i < WAN_STREAMS_MAX; i++)
        if (b->streams[i].id) wan_path_add(&paths, wan_loop_fd(b->links, b->streams[i].id));
    return paths;
}
