/* WebSocket for HBTP. See ws.h.

   wslay parses and checks frames, and answers pings and closes. Output that finds no space is kept,
   and nothing is read from the other side until it is gone: at most 16 KiB and a frame's head are
   kept for the client, at most 4 KiB, the buffer of wslay, for HBTP. */
#include "ws.h"

#ifdef DXDB_WSLAY

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

enum {
    BLOCKS     = 256, /* of output; and those of input */
    FRAME_MAX  = 65536, /* payload of a frame from the client */
    KEY_SIZE   = 24     /* 16 bytes as base64 */
};

struct dxdb_ws_link {
    dxdb_ws    *ws;
    dx_peers_id outer; /* 0: closed */
    dx_peers_id inner;
    wslay_event_context_ptr context;
    const uint8_t *input; /* while bytes of the client are processed */
    size_t      input_size;
    bool        is_data;  /* the current frame is of a binary message */
    bool        is_over;  /* the end was sent, or waits in to_outer */
    dxdb_text   to_outer;
    dxdb_text   to_inner;
    bool        holds;    /* `outer` is on hold */
    dxdb_bridge_output output; /* of the client */
};

static dxdb_ws_link *link_of(dx_peers *peers, dx_peers_id id)
{
    const uint64_t *word = dx_peers_data(peers, id);
    return word ? (dxdb_ws_link *)(uintptr_t)*word : NULL;
}

const char *dxdb_ws_library(void) { return "wslay " WSLAY_VERSION; }
const char *dxdb_ws_missing(void) { return NULL; }

/* >>handshake ------------------------------------------------------------------------ */
static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

bool dxdb_ws_accept(const char *key, size_t size, char accept[DXDB_WS_ACCEPT_SIZE])
{
    static const char constant[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    unsigned char text[KEY_SIZE + sizeof constant - 1], hash[SHA_DIGEST_LENGTH];
    if (size != KEY_SIZE || memcmp(key + KEY_SIZE - 2, "==", 2)) return false;
    for (size_t i = 0; i < KEY_SIZE - 2; i++)
        if (!is_base64(key[i])) return false;
    memcpy(text, key, KEY_SIZE);
    memcpy(text + KEY_SIZE, constant, sizeof constant - 1);
    SHA1(text, sizeof text, hash);
    return EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash) == DXDB_WS_ACCEPT_SIZE - 1;
}

/* >>links ---------------------------------------------------------------------------- */
/* Free it once both sides are closed. */
static void free_link(dxdb_ws_link *l)
{
    if (l->outer || l->inner) return;
    wslay_event_context_free(l->context);
    dxdb_text_free(&l->to_outer);
    dxdb_text_free(&l->to_inner);
    free(l);
}

static void abort_link(dxdb_ws_link *l)
{
    l->is_over = true;
    if (l->inner) (void)dx_peers_close(&l->ws->inner, l->inner, true);
    if (l->outer) (void)dx_peers_close(l->ws->outer, l->outer, true);
}

/* The end of the connection was put in line: nothing more is received from either side. */
static void finish(dxdb_ws_link *l)
{
    l->is_over = true;
    if (l->inner) (void)dx_peers_hold(&l->ws->inner, l->inner, false); /* or its end is not seen */
    if (l->inner && !l->to_inner.size) (void)dx_peers_close(&l->ws->inner, l->inner, false);
    if (l->outer && !l->to_outer.size) (void)dx_peers_close(l->ws->outer, l->outer, false);
}

/* Have wslay write what it has queued. False: the connection is being closed at once. */
static bool flush(dxdb_ws_link *l)
{
    if (!wslay_event_send(l->context)) return true;
    abort_link(l);
    return false;
}

/* >>callbacks of wslay ------------------------------------------------------------------ */
static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *to, size_t size, int flags, void *user)
{
    dxdb_ws_link *l = user;
    (void)flags;
    if (!l->input_size || l->to_inner.size || l->to_outer.size ||
        wslay_event_get_queued_msg_count(context)) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (size > l->input_size) size = l->input_size;
    memcpy(to, l->input, size);
    l->input += size;
    l->input_size -= size;
    return (ssize_t)size;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *bytes, size_t size, int flags,
                       void *user)
{
    dxdb_ws_link *l = user;
    (void)context;
    (void)flags;
    dxdb_text_put(&l->to_outer, bytes, size);
    return (ssize_t)size;
}

static void on_frame(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
    static const char why[] = "HBTP is in binary messages";
    dxdb_ws_link *l = user;
    l->is_data = frame->opcode == WSLAY_BINARY_FRAME || frame->opcode == WSLAY_CONTINUATION_FRAME;
    if (frame->opcode == WSLAY_TEXT_FRAME) {
        (void)wslay_event_queue_close(context, WSLAY_CODE_UNSUPPORTED_DATA, (const uint8_t *)why,
                                      sizeof why - 1);
        wslay_event_shutdown_read(context);
    } else if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1) {
        (void)wslay_event_queue_close(context, WSLAY_CODE_PROTOCOL_ERROR, NULL, 0);
        wslay_event_shutdown_read(context); /* wslay accepts half of a code */
    }
}

static void on_chunk(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
    dxdb_ws_link *l = user;
    if (!l->is_data || !wslay_event_get_read_enabled(context)) return;
    dxdb_text_put(&l->to_inner, chunk->data, chunk->data_length);
    (void)dxdb_bridge_send(&l->ws->inner, l->inner, &l->to_inner);
}

/* >>the client's side ------------------------------------------------------------------- */
/* wslay fails without a code if the head of a frame is wrong: say it here. All that it has written is
   in whole frames. */
static void refuse_frame(dxdb_ws_link *l)
{
    static const char close[] = {'\x88', 2, (char)(WSLAY_CODE_PROTOCOL_ERROR >> 8),
                                 (char)(WSLAY_CODE_PROTOCOL_ERROR & 255)};
    dxdb_text_put(&l->to_outer, close, sizeof close);
    (void)dxdb_bridge_send(l->ws->outer, l->outer, &l->to_outer);
    finish(l);
}

/* Process input until it is used up or output waits. */
static void process(dxdb_ws_link *l)
{
    size_t before;
    do {
        before = l->input_size;
        const int error = wslay_event_recv(l->context);
        if (error == WSLAY_ERR_NOMEM) abort_link(l);
        else if (error) refuse_frame(l);
        if (error) return;
        if (!flush(l)) return;
        (void)dxdb_bridge_send(l->ws->outer, l->outer, &l->to_outer);
        if (!wslay_event_get_read_enabled(l->context)) { /* after a close, its or ours */
            finish(l);
            return;
        }
    } while (l->input_size < before && !l->to_inner.size && !l->to_outer.size);
}

size_t dxdb_ws_received(dxdb_ws_link *l, const uint8_t *bytes, size_t size, bool last)
{
    if (l->is_over) return size;
    l->input = bytes;
    l->input_size = size;
    process(l);
    const size_t used = size - l->input_size;
    l->input_size = 0;
    if (l->is_over) return size;
    if (l->to_inner.size || l->to_outer.size) {
        l->holds = true;
        (void)dx_peers_hold(l->ws->outer, l->outer, true);
        return used;
    }
    if (last) finish(l); /* without a close, which a lost client cannot send */
    return size;
}

/* Output was sent: read from the client again. wslay may have frames in its buffer. */
static void resume(dxdb_ws_link *l)
{
    if (!l->holds || l->is_over || l->to_inner.size || l->to_outer.size) return;
    process(l);
    if (l->is_over || l->to_inner.size || l->to_outer.size || !l->outer) return;
    l->holds = false;
    (void)dx_peers_hold(l->ws->outer, l->outer, false);
}

void dxdb_ws_drained(dxdb_ws_link *l)
{
    if (!l->to_outer.size || !dxdb_bridge_send(l->ws->outer, l->outer, &l->to_outer)) return;
    if (l->is_over) {
        finish(l);
        return;
    }
    if (l->inner) (void)dx_peers_hold(&l->ws->inner, l->inner, false);
    resume(l);
}

void dxdb_ws_ended(dxdb_ws_link *l, int32_t reason)
{
    l->outer = 0;
    l->is_over = true;
    if (l->inner) (void)dx_peers_hold(&l->ws->inner, l->inner, false);
    if (l->inner) (void)dx_peers_close(&l->ws->inner, l->inner, reason != 0);
    free_link(l);
}

bool dxdb_ws_check(dxdb_ws_link *l, uint64_t passed_ms)
{
    dxdb_ws *w = l->ws;
    if (!dxdb_bridge_is_stuck(&l->output, w->guard->config, w->outer, l->outer, l->to_outer.size, passed_ms))
        return false;
    abort_link(l);
    return true;
}

/* >>the side of HBTP --------------------------------------------------------------------- */
/* HBTP has ended, and has said why in its own Close. */
static void say_close(dxdb_ws_link *l, uint16_t code)
{
    (void)wslay_event_queue_close(l->context, code, NULL, 0);
    if (!flush(l)) return;
    (void)dxdb_bridge_send(l->ws->outer, l->outer, &l->to_outer);
    finish(l);
}

static size_t on_inner_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                                bool last)
{
    dxdb_ws_link *l = link_of(peers, id);
    size_t at = 0;
    if (!l || l->is_over) return size;
    while (at < size && !l->to_outer.size) {
        const size_t part = size - at < DXDB_BRIDGE_BLOCK_SIZE ? size - at : DXDB_BRIDGE_BLOCK_SIZE;
        const struct wslay_event_msg message = {WSLAY_BINARY_FRAME, bytes + at, part};
        if (wslay_event_queue_msg(l->context, &message)) {
            abort_link(l);
            return size;
        }
        if (!flush(l)) return size;
        (void)dxdb_bridge_send(l->ws->outer, l->outer, &l->to_outer);
        at += part;
    }
    if (l->to_outer.size) {
        (void)dx_peers_hold(peers, id, true);
    } else if (last) {
        say_close(l, l->ws->drains ? WSLAY_CODE_GOING_AWAY : WSLAY_CODE_NORMAL_CLOSURE);
    }
    return at;
}

static void on_inner_drained(dx_peers *peers, dx_peers_id id)
{
    dxdb_ws_link *l = link_of(peers, id);
    if (!l || !l->to_inner.size || !dxdb_bridge_send(peers, id, &l->to_inner)) return;
    if (l->is_over) finish(l);
    else resume(l);
}

static void on_inner_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    dxdb_ws_link *l = link_of(peers, id);
    if (!l) return;
    l->inner = 0;
    if (l->outer && !l->is_over)
        say_close(l, reason ? WSLAY_CODE_INTERNAL_SERVER_ERROR : WSLAY_CODE_NORMAL_CLOSURE);
    free_link(l);
}

/* >>all of it ---------------------------------------------------------------------------- */
int dxdb_ws_begin(dxdb_ws *w, dx_reactor *r, dxdb_guard *guard, dx_peers *outer,
                  int (*add)(void *protocol, int fd), void *protocol)
{
    dx_peers_desc desc;
    memset(w, 0, sizeof *w);
    w->outer = outer;
    w->guard = guard;
    w->add = add;
    w->protocol = protocol;
    memset(&desc, 0, sizeof desc);
    dxdb_bridge_blocks(&desc, guard->config, r, BLOCKS);
    desc.receive_when_full = true; /* HBTP may read no requests until its answers are taken */
    desc.user = w;
    desc.received = on_inner_received;
    desc.drained = on_inner_drained;
    desc.closed = on_inner_closed;
    desc.memory_size = dx_peers_memory_size(&desc);
    w->memory = prog_alloc(desc.memory_size);
    desc.memory = w->memory;
    const int error = dx_peers_open(&w->inner, r, &desc);
    return error ? prog_fail(PROG_SYSTEM, "cannot start WebSocket: %s", dx_peers_error_name(error))
                 : PROG_OK;
}

dxdb_ws_link *dxdb_ws_open(dxdb_ws *w, dx_peers_id outer, const dxdb_text *answer)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame,
        .on_frame_recv_chunk_callback = on_chunk,
    };
    dxdb_ws_link *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->ws = w;
    l->outer = outer;
    if (wslay_event_context_server_init(&l->context, &callbacks, l)) {
        free(l);
        return NULL;
    }
    wslay_event_config_set_no_buffering(l->context, 1);
    wslay_event_config_set_max_recv_msg_length(l->context, FRAME_MAX);
    if (!dxdb_bridge_connect(&w->inner, w->guard, dx_peers_fd(w->outer, outer), w->add, w->protocol, l,
                             &l->inner)) {
        wslay_event_context_free(l->context);
        free(l);
        return NULL;
    }
    dxdb_text_put(&l->to_outer, answer->bytes, answer->size);
    (void)dxdb_bridge_send(w->outer, outer, &l->to_outer);
    return l;
}

void dxdb_ws_drain(dxdb_ws *w) { w->drains = true; }

void dxdb_ws_close(dxdb_ws *w, uint64_t within_ns)
{
    if (w->memory) dx_peers_drain(&w->inner, within_ns);
}

#else /* built without wslay */

#include <stdlib.h>
#include <string.h>

const char *dxdb_ws_library(void) { return "no wslay"; }
const char *dxdb_ws_missing(void) { return "this dxdb was built without WebSocket (wslay)"; }

bool dxdb_ws_accept(const char *key, size_t size, char accept[DXDB_WS_ACCEPT_SIZE])
{
    (void)key;
    (void)size;
    (void)accept;
    return false;
}

int dxdb_ws_begin(dxdb_ws *w, dx_reactor *r, dxdb_guard *guard, dx_peers *outer,
                  int (*add)(void *protocol, int fd), void *protocol)
{
    memset(w, 0, sizeof *w);
    (void)r;
    (void)guard;
    (void)outer;
    (void)add;
    (void)protocol;
    return PROG_OK;
}

dxdb_ws_link *dxdb_ws_open(dxdb_ws *w, dx_peers_id outer, const dxdb_text *answer)
{
    (void)w;
    (void)outer;
    (void)answer;
    return NULL;
}

size_t dxdb_ws_received(dxdb_ws_link *l, const uint8_t *bytes, size_t size, bool last)
{
    (void)l;
    (void)bytes;
    (void)last;
    return size;
}

void dxdb_ws_drained(dxdb_ws_link *l) { (void)l; }

void dxdb_ws_ended(dxdb_ws_link *l, int32_t reason)
{
    (void)l;
    (void)reason;
}

bool dxdb_ws_check(dxdb_ws_link *l, uint64_t passed_ms)
{
    (void)l;
    (void)passed_ms;
    return false;
}

void dxdb_ws_drain(dxdb_ws *w) { (void)w; }

void dxdb_ws_close(dxdb_ws *w, uint64_t within_ns)
{
    (void)w;
    (void)within_ns;
}

#endif

void dxdb_ws_free(dxdb_ws *w)
{
    free(w->memory);
    memset(w, 0, sizeof *w);
}
