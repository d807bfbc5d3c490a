/* Requests a version from the server:

       send_sync_request()     name and hash: is it a snapshot?
       send_request()          otherwise, or to an older server: name and hash
       send_details_request()  the details of a directory
       handle_reply()            unchanged, patch or full; refuses to lose data
       handle_sync_reply()       unchanged, or the root of a snapshot, which is fetched afterwards

   The first failure sets the status and stops the event loop. */
#include "pull.h"

#include "../../sync/loop.h"
#include "../../sync/wire.h"
#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    PAYLOAD_MAX      = 1 << 18, /* of a frame */
    OUT_SIZE         = 4096,    /* for requests and Pongs */
    STALL_LIMIT_S    = 600  /* a server that answers Pings may need this long to make a patch */
};

/* >>reply -------------------------------------------------------------- */
/* Print why the request failed. */
static int remote_failed(pull *p, const dx_hbtp_result *r)
{
    p->plan.has_no_details =
        p->plan.details_of && r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND;
    if (p->plan.has_no_details) return PROG_NOT_FOUND;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        return prog_fail(PROG_NOT_FOUND, "the server has no '%s'; 'dxup ls %s' lists its names",
                         p->o->name, p->o->address);
    if (r->error == DX_HBTP_EREMOTE)
        return prog_fail(PROG_NETWORK, "the server refused: %u %.*s", r->status,
                         (int)(r->payload_size < 200 ? r->payload_size : 200),
                         (const char *)r->payload);
    return prog_fail(PROG_NETWORK, "the request failed: %s", dxup_protocol_text(r->error));
}

static int malformed_reply(const char *field)
{
    return prog_fail(PROG_NETWORK, "the server's reply is malformed: field '%s' cannot be read", field);
}

/* Handle a reply that says that the destination is up to date. */
static int handle_unchanged(pull *p, bool same)
{
    if (!same) return prog_fail(PROG_DAMAGED, "the server says 'unchanged', but the hashes differ");
    if (p->plan.kind == PROG_FILE && !p->o->dry_run && os_set_mode(p->o->path, p->plan.mode & 0777) < 0)
        return prog_fail_errno("%s", p->o->path);
    /* The staging file is useless now: opening and abandoning it removes it. */
    if (p->plan.left_staging && p->plan.kind == PROG_FILE && !p->o->dry_run)
        p->install.dest_open =
            !versions_dest_open(&p->install.dest, p->o->path, p->plan.kind, p->plan.mode, NULL);
    p->transfer.done = true;
    dx_reactor_stop(&p->transfer.reactor);
    return PROG_OK;
}

static int send_sync_request(pull *p);

/* Check the reply, and start its transfer. */
static int handle_reply(pull *p, const dx_hbtp_result *r)
{
    pull_reply_view v;
    int error = pull_reply_open_bare(&v, r->payload, r->payload_size, DXUP_WIRE_VERSION);
    if (error) return malformed_reply(pull_reply_fault(&v)->field);
    p->plan.outcome = pull_reply_get_outcome(&v);
    p->plan.kind = pull_reply_get_kind(&v);
    p->plan.version = pull_reply_get_version(&v);
    p->plan.size = pull_reply_get_size(&v);
    p->plan.wire_size = pull_reply_get_wire_size(&v);
    p->plan.mode = pull_reply_get_mode(&v);
    p->plan.transfer_id = pull_reply_get_transfer(&v);
    pull_reply_copy_hash(&v, 0, p->plan.hash, sizeof p->plan.hash);
    if (p->plan.kind != PROG_FILE && p->plan.kind != PROG_TREE)
        return prog_fail(PROG_NETWORK, "the server's reply is malformed: unknown kind of content");
    int status = dxup_pull_refuse_another(p);
    if (status) return status;
    if (p->plan.outcome == DXUP_UNCHANGED) return handle_unchanged(p, dxup_pull_is_there(p));
    if (p->plan.details_of && !pull_reply_get_known_base(&v))
        p->plan.have_size = 0; /* a patch from an empty base */
    if (p->plan.outcome == DXUP_PATCHED && !p->plan.have_kind && !p->plan.details_of)
        return prog_fail(PROG_DAMAGED, "the server sends a patch, but the destination has no base "
                                       "for it");
    if (p->plan.outcome == DXUP_FULL && p->plan.wire_size != p->plan.size)
        return prog_fail(PROG_DAMAGED, "the server's reply is malformed: its sizes contradict "
                                       "each other");
    if (p->plan.outcome == DXUP_FULL && p->plan.kind == PROG_FILE && !p->plan.transfer_id &&
        dxup_pull_wants_objects(p))
        return send_sync_request(p);
    status = dxup_pull_refuse_losses(p, pull_reply_get_known_base(&v));
    if (!status && p->o->dry_run) {
        p->transfer.done = true;
        dx_reactor_stop(&p->transfer.reactor);
        return PROG_OK;
    }
    return status ? status : dxup_pull_start_transfer(p);
}

/* The same for a snapshot; the missing objects are fetched afterwards. */
static int handle_sync_reply(pull *p, const dx_hbtp_result *r)
{
    sync_reply_view v;
    int error = sync_reply_open_bare(&v, r->payload, r->payload_size, DXUP_WIRE_VERSION);
    if (error) return malformed_reply(sync_reply_fault(&v)->field);
    p->plan.outcome = sync_reply_get_outcome(&v);
    p->plan.kind = sync_reply_get_kind(&v) == PROG_FILE ? PROG_FILE : PROG_TREE;
    p->plan.level = sync_reply_get_level(&v);
    p->plan.patches = sync_reply_get_kind(&v) != 0;
    p->plan.wholes = dxup_pull_container_flags(p) && sync_reply_get_features(&v) & DXUP_WHOLES;
    p->transfer.lacking.sizes = p->o->dry_run && sync_reply_get_features(&v) & DXUP_SIZES;
    p->plan.known_base = sync_reply_get_known_base(&v);
    p->plan.version = sync_reply_get_version(&v);
    p->plan.size = sync_reply_get_size(&v);
    p->plan.mode = sync_reply_get_mode(&v);
    sync_reply_copy_hash(&v, 0, p->plan.hash, sizeof p->plan.hash);
    sync_reply_copy_root(&v, 0, p->plan.root, sizeof p->plan.root);
    if (p->plan.outcome != DXUP_UNCHANGED && p->plan.outcome != DXUP_SYNCED)
        return prog_fail(PROG_NETWORK, "the server's reply is malformed: unknown outcome");
    if (p->plan.kind == PROG_FILE && p->plan.outcome == DXUP_SYNCED &&
        (!p->plan.size || p->plan.level > DX_TREE_LEVELS_MAX))
        return prog_fail(PROG_NETWORK, "the server's reply is malformed: impossible size of a file");
    int status = dxup_pull_refuse_another(p);
    if (status) return status;
    if (p->plan.outcome == DXUP_UNCHANGED && !dxup_pull_is_there(p))
        return handle_unchanged(p, false);
    p->plan.syncs = p->plan.outcome == DXUP_SYNCED ||
                    (p->plan.kind == PROG_TREE && dxup_pull_is_another(p));
    if (!p->plan.syncs) return handle_unchanged(p, true);
    status = dxup_pull_refuse_losses(p, p->plan.known_base);
    p->transfer.done = !status;
    dx_reactor_stop(&p->transfer.reactor);
    return status;
}

/* >>request ------------------------------------------------------------ */
/* Report that a request could not be written. */
static int cannot_ask(const pull *p, int error)
{
    if (error == DX_HBTP_ECANCELED)
        return prog_fail(PROG_NETWORK, "%s: the server is shutting down; pull again later",
                                       p->o->address);
    return prog_fail(PROG_NETWORK, "%s: the request cannot be sent: %s", p->o->address,
                     dxup_protocol_text(error));
}

/* Send a request, unless its writer has failed with `error`. */
static int ask(const pull *p, uint16_t method, int error, const uint8_t *request, size_t size)
{
    dx_hbtp_session *session = dx_link_session(&p->transfer.links, p->transfer.link);
    if (error) return prog_fail(PROG_USAGE, "'%s' is not a valid name: %s", p->o->name, PROG_NAME_RULE);
    error = dx_hbtp_call(session, method, request, size, UINT64_MAX, NULL, NULL);
    return error ? cannot_ask(p, error) : PROG_OK;
}

static int send_details_request(pull *p)
{
    uint8_t request[512];
    range_request_writer w;
    size_t size = 0;
    range_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    range_request_set_offset(&w, p->plan.have_kind ? p->plan.details_from : 0);
    range_request_set_target(&w, p->plan.details_of->plan.hash);
    range_request_set_have(&w, p->plan.have);
    range_request_put_name(&w, p->o->name, strlen(p->o->name));
    const int error = range_request_finish(&w, &size);
    return ask(p, DXUP_RPC_DETAILS, error, request, size);
}

static int send_request(pull *p)
{
    uint8_t request[512];
    pull_request_writer w;
    size_t size = 0;
    uint32_t flags = p->plan.have_kind ? DXUP_HAVE : 0;
    if (p->o->connections > 1 || p->plan.left_staging) flags |= DXUP_RANGES;
    if (dxup_pull_wants_objects(p)) flags |= DXUP_OBJECTS;
    flags |= dxup_pull_container_flags(p);
    pull_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    pull_request_set_flags(&w, flags);
    pull_request_set_have(&w, p->plan.have);
    pull_request_put_name(&w, p->o->name, strlen(p->o->name));
    const int error = pull_request_finish(&w, &size);
    return ask(p, DXUP_RPC_PULL, error, request, size);
}

/* Request a snapshot, or a file as one. If the server does not have that name, or is older,
   it answers 404. */
static int send_sync_request(pull *p)
{
    uint8_t request[512];
    sync_request_writer w;
    size_t size = 0;
    p->plan.asks_sync = true;
    sync_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    sync_request_set_flags(&w, (p->plan.have_kind ? DXUP_HAVE : 0u) | DXUP_OBJECTS |
                                   (p->o->dry_run ? DXUP_SIZE_ONLY : 0u) |
                                   dxup_pull_container_flags(p));
    sync_request_set_have(&w, p->plan.have);
    sync_request_put_name(&w, p->o->name, strlen(p->o->name));
    const int error = sync_request_finish(&w, &size);
    return ask(p, DXUP_RPC_SYNC, error, request, size);
}

/* Pull with patches and streams: for a small file, or if the server has no objects of it. */
static int pull_the_old_way(pull *p)
{
    p->plan.asks_sync = false;
    p->plan.no_objects = true;
    dxup_pull_close_store(p); /* no objects are fetched */
    if (p->install.dest_open) versions_dest_abandon(&p->install.dest);
    p->install.dest_open = false;
    int status = p->plan.have_kind == PROG_TREE ? dxup_pull_hash_destination(p, true) : PROG_OK;
    return status ? status : send_request(p);
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    pull *p = session->desc.user;
    if (p->transfer.done || r->error == DX_HBTP_ECANCELED) return; /* on_event() reports the reason */
    p->transfer.progress_ns = dx_reactor_now_ns(&p->transfer.reactor);
    int status;
    if (p->plan.asks_sync && r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        status = pull_the_old_way(p);
    else if (r->error) status = remote_failed(p, r);
    else status = p->plan.asks_sync ? handle_sync_reply(p, r) : handle_reply(p, r);
    if (status) dxup_pull_end(p, status);
}

/* >>connection --------------------------------------------------------- */
/* Report that the connection ended too early. */
static int lost(pull *p, const char *why)
{
    char done[32], total[32];
    if (p->install.dest_open && !p->install.seeds)
        return prog_fail(PROG_NETWORK, "%s after %s of %s bytes; %s is unchanged%s", why,
                         prog_count_text(p->transfer.next, done),
                         prog_count_text(p->plan.wire_size, total), p->o->path,
                         dxup_pull_can_resume(p) ? "; the next pull resumes here" : "");
    return prog_fail(PROG_NETWORK, "%s before it replied", why);
}

static int silent(const pull *p)
{
    char then[PROG_PATH_SIZE_MAX + 64];
    snprintf(then, sizeof then, dxup_pull_can_resume(p) ? "it resumes here" : "%s is unchanged", p->o->path);
    return dxup_silence_fail(p->o->address, p->o->timeout_s, then);
}

/* Before the first reply the peer is most likely another kind of server, such as a web server. */
static int broke_protocol(const pull *p, int error)
{
    if (!p->plan.version)
        return prog_fail(PROG_NETWORK, "%s is not a dxup server: it speaks another protocol",
                         p->o->address);
    return prog_fail(PROG_NETWORK, "the server broke the protocol: %s", dxup_protocol_text(error));
}

static void on_opened(dx_link *l, dx_link_id id)
{
    pull *p = l->desc.user;
    assert(id == p->transfer.link && !p->transfer.opened);
    p->transfer.opened = true;
    dxup_rate_begin(&p->transfer.rate, dx_link_fd(l, id));
    p->transfer.progress_ns = dx_reactor_now_ns(&p->transfer.reactor);
    int status;
    if (p->plan.details_of) status = send_details_request(p);
    else if (dxup_pull_can_sync(p)) status = send_sync_request(p);
    else status = send_request(p);
    if (status) dxup_pull_end(p, status);
}

/* The session has ended, by the server's Close or by an error. If it ended with the connection,
   on_closed() reports that. */
static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    pull *p = session->desc.user;
    if (event != DX_HBTP_EVENT_CLOSED || p->transfer.done || p->transfer.leaving) return;
    switch (session->error) {
    case DX_HBTP_OK:
        if (frame) dxup_pull_end(p, lost(p, "the server ended the transfer"));
        break;
    case DX_HBTP_ETIMEDOUT: dxup_pull_end(p, silent(p)); break;
    case DX_HBTP_EVERSION:
        dxup_pull_end(p, prog_fail(PROG_NETWORK,
                                   "%s needs another version of the protocol than this dxup "
                                   "speaks; install the same dxup on both sides",
                                   p->o->address));
        break;
    default: dxup_pull_end(p, broke_protocol(p, session->error));
    }
}

/* Start connecting to the first address, from address_at on, for which that is possible. */
static bool connect_on(pull *p)
{
    for (; p->transfer.address_at < p->transfer.addresses.count; p->transfer.address_at++)
        if (!dx_link_connect(&p->transfer.links,
                             &p->transfer.addresses.list[p->transfer.address_at],
                             &p->transfer.link))
            return true;
    return false;
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    pull *p = l->desc.user;
    (void)id;
    if (p->transfer.done || p->transfer.leaving) return;
    if (!p->transfer.opened) {
        p->transfer.address_at++;
        if (!connect_on(p))
            dxup_pull_end(p,
                          prog_fail(PROG_NETWORK, "%s: %s", p->o->address, os_error_text(-reason)));
    }
    else
        dxup_pull_end(p, lost(p, reason == -ECONNRESET ? "the server closed the connection"
                                              : os_error_text(-reason)));
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    pull *p = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0 || p->transfer.done) return;
    if (dxup_silence_tick(&p->transfer.silence,
                          p->transfer.links.received + dxup_ranges_received(p->transfer.ranges))) {
        dxup_pull_end(p, silent(p));
        return;
    }
    if (p->transfer.ranges) dxup_ranges_tick(p->transfer.ranges);
    if (!p->transfer.done && p->transfer.progress_ns &&
        dx_reactor_now_ns(r) - p->transfer.progress_ns > (uint64_t)STALL_LIMIT_S * 1000000000)
        dxup_pull_end(p, lost(p, "the server sent no more content"));
    dx_reactor_timer(r, op, 1000000000);
}

static int open_links(pull *p)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&p->transfer.router);
    dx_hbtp_router_set(&p->transfer.router, DX_HBTP_OP_FILE_CHUNK, dxup_pull_receive_chunk, p);
    desc.links_max = 2; /* the next address is tried while the previous connection closes */
    desc.out_size = OUT_SIZE;
    desc.block_count = DXUP_INPUT_BLOCKS;
    desc.session.router = &p->transfer.router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.user = p;
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = 2; /* Hello and the request */
    desc.session.pending_max = 1;
    desc.session.keepalive_ns = dxup_silence_ping_ns(p->o->timeout_s);
    desc.opened = on_opened;
    desc.closed = on_closed;
    desc.user = p;
    return dxup_links_open(&p->transfer.links, &p->transfer.reactor, &desc,
                           &p->transfer.links_memory);
}

/* Connect, and run the event loop until done. */
int dxup_pull_ask(pull *p)
{
    dx_reactor_desc desc = {0};
    desc.pending_max = 32 + 5 * p->o->connections;
    desc.descriptors_max = 8 + p->o->connections;
    desc.queue_entries = 8;
    desc.buffer_count = DXUP_INPUT_BUFFERS;
    desc.buffer_size = DXUP_INPUT_SIZE;
    int status =
        dxup_loop_open(&p->transfer.reactor, &desc, p->o->backend, &p->transfer.reactor_memory);
    if (status) return status;
    dx_reactor_op_init(&p->transfer.timer_op, on_timer, p);
    p->transfer.silence.limit_s = p->o->timeout_s;
    status = open_links(p);
    if (!status && !connect_on(p)) {
        errno = dx_reactor_sys_errno(&p->transfer.reactor);
        prog_fail_errno("%s", p->o->address);
        status = PROG_NETWORK;
    } else if (!status) {
        dx_reactor_timer(&p->transfer.reactor, &p->transfer.timer_op, 1000000000);
        int error = dx_reactor_run(&p->transfer.reactor);
        if (error) status = prog_fail(PROG_SYSTEM, "the event loop failed: %s",
                                      dx_reactor_error_name(error));
    }
    p->transfer.done = true;
    dxup_ranges_end(p->transfer.ranges);
    dx_reactor_close(&p->transfer.reactor);
    p->transfer.sent = p->transfer.links.sent;
    p->transfer.received = p->transfer.links.received;
    dxup_ranges_free(p->transfer.ranges);
    return p->transfer.status ? p->transfer.status : status;
}
