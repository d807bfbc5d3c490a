/* dxwan recv: waits for a sender, and stores its file.

       join --> the partial file is opened, its note is loaded --> chunks --> whole and hashed -->
       renamed --> the sender is told --> its connections end */
#include "../wan.h"

#include "../../common/json.h"
#include "../../common/os.h"
#include "../files/hash.h"
#include "../files/image.h"
#include "../files/sums.h"
#include "../files/target.h"
#include "../files/unpack.h"
#include "../net/bulk.h"
#include "../net/join.h"
#include "../net/refusals.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNKS_MAX    = 1 << 25, /* a bit each: 4 MiB */
    CHUNK_MIN     = 4096,
    FAULTS_MAX    = 64,      /* connections in a row that broke a rule */
    SAVE_S        = 2,       /* between two notes */
    JOIN_S        = 10,      /* for the first message of a connection */
    END_S         = 10,      /* for the sender to come back and hear of the end, */
    END_FAILED_S  = 2,       /* and of a failure */
    REPAIRS_MAX   = 8,       /* times that what another program damaged is fetched again */
    STATUS_NO_ROOM = 507     /* of the object */
};
#define SECOND ((uint64_t)1000000000)
#define WORK_LOOK_NS ((uint64_t)5000000) /* is a thread done? */

typedef struct recv_state {
    const wan_options *o;
    wan_options  options;  /* *o is this */
    wan_refusals refusals; /* unless those of the options last longer */
    char         from[WAN_FROM_SIZE]; /* the sender that joined first */
    wan_loop     loop;
    wan_bulk     bulk;
    wan_target   target;
    wan_join     join;
    wan_image    image;     /* of a mirror */
    wan_unpack   unpack;    /* and of a directory's, once it is verified */
    bool         unpacking; /* it is open, */
    bool         unpacked;  /* and all is there */
    wan_hash     hash;
    wan_sums     sums;      /* of the chunks */
    uint64_t     compared;  /* bytes of the complete file, with these */
    bool         comparing;
    uint32_t     repairs;   /* times that damaged chunks were fetched again */
    uint64_t     earlier_bytes; /* received, and connections, */
    uint32_t     earlier_opened; /* until the last time */
    uint8_t      number[WAN_NUMBER_SIZE]; /* of this process */
    bool         joined;    /* the target is open */
    bool         resumed;
    bool         placed;
    bool         sink;      /* only its address is used: the user of a connection of dxwan probe */
    bool         heard;     /* a mirror: the sender has closed a connection after the end */
    uint64_t     resumed_bytes;
    uint64_t     began_ns;
    uint64_t     moved_ns;
    uint64_t     moved;
    uint64_t     saved_ns;
    uint64_t     saved_done; /* bytes_done then */
    uint64_t     told_ns;
    uint64_t     signs;      /* of life, while the file is made durable */
    uint64_t     heard_signs; /* of a sender that hashes its file */
    uint64_t     over_ns;    /* the sender must know by then; 0: not over */
    bool         over;
    int          status;
    uint16_t     refused;    /* the object: the status that each connection hears */
    const char  *why;        /* why it was refused */
} recv_state;

static void finish(recv_state *s, int status)
{
    if (s->over) return;
    s->over = true;
    s->status = status;
    s->over_ns = (uint64_t)prog_now_ns() + (status ? END_FAILED_S : END_S) * SECOND;
}

/* Was it asked to end? A daemon's receiver completes its transfer, within a limit. */
static bool is_ended(const recv_state *s)
{
    const int ends = wan_loop_ends(&s->loop);
    return ends > 1 || (ends && (!s->o->ender || !s->joined));
}

static bool is_mirror(const recv_state *s) { return s->joined && s->join.kind != WAN_OBJECT; }

/* >>join ----------------------------------------------------------------- */
/* A sender is refused, which a caller says between these two, unless it was said in this period. */
static void begin_refusal(recv_state *s, const char *from)
{
    prog_mute(wan_refusals_is_known(s->o->refusals, WAN_REFUSED_FILE, from));
}

static void end_refusal(recv_state *s, const char *from, const char *why)
{
    const bool said = !wan_refusals_is_known(s->o->refusals, WAN_REFUSED_FILE, from);
    prog_mute(false);
    if (why) wan_refusals_note(s->o->refusals, WAN_REFUSED_FILE, from, why, said);
}

/* dx_bulk_desc.accept: take this object? */
static int accept_object(void *user, const dx_bulk_object *o)
{
    wan_bulk *b = user;
    recv_state *s = b->links->desc.user;
    char size[32];
    static const uint8_t none[32];
    const bool same = b->bulk.known && b->bulk.object.size == o->size &&
                      b->bulk.object.chunk_size == o->chunk_size &&
                      !memcmp(b->bulk.object.hash, o->hash, sizeof o->hash);
    if (s->refused) return s->refused; /* which was said */
    begin_refusal(s, s->from);
    if (o->size > s->o->size_max) {
        finish(s, prog_fail(PROG_REFUSED, "%s: %s byte%s announced, above --size-max",
                            s->join.name, prog_count_text(o->size, size), o->size == 1 ? " is" : "s are"));
        end_refusal(s, s->from, "the file is too large");
        return s->refused = DX_HBTP_STATUS_TOO_BIG;
    }
    if (o->chunk_size > WAN_CHUNK_MAX || o->chunk_size < CHUNK_MIN ||
        o->size / o->chunk_size >= CHUNKS_MAX || !memcmp(o->hash, none, sizeof none)) {
        finish(s, prog_fail(PROG_NETWORK, "%s: the sender announces chunks that dxwan does not use",
                            s->join.name));
        end_refusal(s, s->from, "it announces chunks that dxwan does not use");
        return s->refused = DX_HBTP_STATUS_UNSUPPORTED;
    }
    if (!same || !s->repairs) {
        s->resumed = same && b->bulk.metrics.bytes_done;
        s->resumed_bytes = same ? b->bulk.metrics.bytes_done : 0;
        s->began_ns = (uint64_t)prog_now_ns();
        wan_hash_begin(&s->hash);
        wan_sums_open(&s->sums, o->size, o->chunk_size);
    }
    if (!same && b->bulk.known) (void)os_empty(s->target.file);
    if (!wan_target_size(&s->target, o->size, &s->why)) {
        finish(s, prog_fail(PROG_SYSTEM, "%s: %s", s->target.path, s->why));
        end_refusal(s, s->from, s->why);
        return s->refused = STATUS_NO_ROOM;
    }
    end_refusal(s, s->from, NULL);
    s->moved_ns = s->saved_ns = (uint64_t)prog_now_ns();
    return 0;
}

static void on_arrived(void *user, uint64_t offset, const uint8_t *bytes, size_t size)
{
    recv_state *s = user;
    wan_sums_set(&s->sums, offset, bytes, size);
}

/* Have the sender send damaged chunks again. False: it cannot be asked. */
static bool fetch_again(recv_state *s)
{
    if (!os_random(s->number, sizeof s->number) || !wan_bulk_begin_again(&s->bulk)) return false;
    for (uint32_t i = 0; (i = wan_sums_take(&s->sums, i)) < s->sums.count;)
        (void)dx_bulk_forget(&s->bulk.bulk, (uint64_t)i * s->sums.chunk_size);
    assert(!s->sums.damaged);
    return true;
}

/* A transfer of which nothing is known yet. */
static void begin_bulk(recv_state *s, const dx_bulk_desc *desc)
{
    wan_bulk_begin(&s->bulk, &s->loop.links, s->target.file, desc);
    s->bulk.arrived = on_arrived;
    s->bulk.user = s;
}

/* The first join: open the target. */
static int open_target(recv_state *s, const wan_join *j, const char **why)
{
    dx_bulk_desc bulk = {0};
    begin_refusal(s, s->from);
    const int status = wan_target_open(&s->target, s->o->out, j->name, j->kind == WAN_TREE, s->o->force, why);
    end_refusal(s, s->from, status ? *why : NULL);
    if (status) return status;
    s->join = *j;
    s->joined = true;
    if (is_mirror(s)) {
        (void)os_remove(s->target.note); /* of a transfer: its chunks are overwritten */
        const int old = wan_target_open_old(&s->target);
        wan_image_open(&s->image, &s->loop.links, s->target.file, old, s->o->size_max);
        s->join.like[0] = 0; /* until join_mirror() */
        s->moved_ns = (uint64_t)prog_now_ns();
        return PROG_OK;
    }
    bulk.accept = accept_object;
    bulk.chunks_max = CHUNKS_MAX;
    bulk.timeout_ns = s->o->timeout_ns;
    begin_bulk(s, &bulk);
    s->repairs = s->earlier_opened = 0;
    s->earlier_bytes = 0;
    if (wan_target_resume(&s->target, &s->bulk.bulk)) return PROG_OK;
    if (!s->bulk.bulk.known) return PROG_OK;
    wan_bulk_end(&s->bulk); /* the note was read, and is of another file */
    begin_bulk(s, &bulk);
    return PROG_OK;
}

/* Another file than the one announced first, of which nothing was sent? */
static void forget_idle(recv_state *s)
{
    if (!s->joined || is_mirror(s) || s->bulk.bulk.state != DX_BULK_WAITING) return;
    if (s->bulk.bulk.metrics.connections) return;
    wan_target_close(&s->target, s->bulk.bulk.known);
    wan_bulk_end(&s->bulk);
    s->joined = false;
}

static int refuse(const dx_hbtp_context *c, uint16_t status, const char *why)
{
    dx_link *l = dx_link_of(c->session);
    const recv_state *s = l->desc.user;
    char from[WAN_FROM_SIZE];
    wan_refusals_from(wan_loop_fd(l, dx_link_id_of(c->session)), from);
    if (status != DX_HBTP_STATUS_INTERNAL) /* which was noted by open_target() */
        wan_refusals_note(s->o->refusals, status == DX_HBTP_STATUS_UNAVAILABLE ? WAN_REFUSED_BUSY : WAN_REFUSED_JOIN,
                          from, why, false);
    const int error = dx_hbtp_write_rpc_error(c->out, c->frame->sequence, status, why);
    if (!error) (void)dx_link_close(l, dx_link_id_of(c->session), status, why);
    return error;
}

static bool is_probe(const dx_hbtp_session *session)
{
    const recv_state *s = dx_link_of(session)->desc.user;
    return session->desc.user == &s->sink;
}

/* A block of dxwan probe. */
static int count_block(const dx_hbtp_context *c)
{
    uint8_t answer[5] = {0};
    if (c->frame->opcode != WAN_OP_SINK || c->payload_size != WAN_SINK_SIZE) {
        (void)dx_link_close(dx_link_of(c->session), dx_link_id_of(c->session),
                            DX_HBTP_STATUS_BAD_REQUEST, "a message breaks the rules of the probe");
        return DX_HBTP_OK;
    }
    memcpy(answer, c->payload, 4);
    answer[4] = WAN_STORED;
    return dx_hbtp_write_frame(c->out, WAN_OP_ANSWER, 0, 0, answer, sizeof answer);
}

static int join_mirror(recv_state *s, const wan_join *j, const dx_hbtp_context *c)
{
    uint8_t answer[WAN_NUMBER_SIZE + 16];
    os_info info;
    c->session->desc.user = &s->image;
    if (strcmp(s->join.like, j->like) != 0) { /* the first time, or another command resumes */
        s->join = *j;
        wan_image_set_like(&s->image, j->like[0] ? wan_target_open_beside(&s->target, j->like) : -1);
    }
    memcpy(answer, s->number, WAN_NUMBER_SIZE);
    wan_store(answer + WAN_NUMBER_SIZE, s->placed ? 0 : wan_image_far_size(&s->image), 8);
    const bool has = s->image.like >= 0 && os_info_of(s->image.like, &info) == 0;
    wan_store(answer + WAN_NUMBER_SIZE + 8, has ? info.size : 0, 8);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, answer, WAN_NUMBER_SIZE + (j->like[0] ? 16 : 8));
}

static int on_join(const dx_hbtp_context *c)
{
    dx_link *l = dx_link_of(c->session);
    recv_state *s = l->desc.user;
    const char *why = NULL;
    wan_join j;
    if (c->session->desc.user)
        return refuse(c, DX_HBTP_STATUS_BAD_REQUEST, "this connection has joined already");
    why = wan_join_read(&j, c->payload, c->payload_size);
    if (why) return refuse(c, DX_HBTP_STATUS_BAD_REQUEST, why);
    if (j.kind == WAN_PROBE) {
        c->session->desc.user = &s->sink;
        return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, s->number, sizeof s->number);
    }
    if (!s->joined || strcmp(s->join.name, j.name) != 0 || s->join.kind != j.kind) forget_idle(s);
    if (s->joined && (strcmp(s->join.name, j.name) != 0 || s->join.kind != j.kind))
        return refuse(c, DX_HBTP_STATUS_UNAVAILABLE, "another file is being received");
    if (!s->joined) {
        wan_refusals_from(wan_loop_fd(l, dx_link_id_of(c->session)), s->from);
        const int status = open_target(s, &j, &why);
        if (status) {
            finish(s, status);
            return refuse(c, DX_HBTP_STATUS_INTERNAL, why);
        }
    }
    if (is_mirror(s)) return join_mirror(s, &j, c);
    if (!wan_bulk_add(&s->bulk, dx_link_id_of(c->session)))
        return refuse(c, DX_HBTP_STATUS_UNAVAILABLE, "all connections are in use");
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, s->number, sizeof s->number);
}

/* >>links ---------------------------------------------------------------- */
static int on_frame(const dx_hbtp_context *context)
{
    recv_state *s = dx_link_of(context->session)->desc.user;
    wan_stream *stream = context->session->desc.user;
    if (is_probe(context->session)) return count_block(context);
    if (stream && is_mirror(s)) return wan_image_handle(&s->image, context);
    if (stream) return wan_bulk_handle(stream, context);
    (void)dx_link_close(dx_link_of(context->session), dx_link_id_of(context->session),
                        DX_HBTP_STATUS_BAD_REQUEST, "the connection has not joined");
    return DX_HBTP_OK;
}

static void on_opened(dx_link *l, dx_link_id id)
{
    recv_state *s = l->desc.user;
    char active[16];
    (void)wan_path_set_up(wan_loop_fd(l, id), s->o->congestion, active);
    wan_path_set_buffers(wan_loop_fd(l, id), s->o->send_buffer, s->o->recv_buffer);
}

static void on_writable(dx_link *l, dx_link_id id)
{
    const recv_state *s = l->desc.user;
    wan_stream *stream = dx_link_session(l, id)->desc.user;
    if (stream && !is_mirror(s) && !is_probe(dx_link_session(l, id))) wan_bulk_pump(stream);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    recv_state *s = l->desc.user;
    if (is_probe(dx_link_session(l, id))) return;
    if (is_mirror(s) && s->placed && s->image.answered && !reason) s->heard = true;
    if (s->joined && !is_mirror(s)) wan_bulk_remove(&s->bulk, id);
}

/* >>progress ------------------------------------------------------------- */
/* Tell the sender of the work, now and then. waits: for the disk. */
static void tell(recv_state *s, uint64_t now, bool waits)
{
    if (now - s->told_ns < WAN_TELL_NS) return;
    s->told_ns = now;
    s->signs += waits;
    wan_bulk_tell_hashed(&s->bulk, s->hash.bytes + s->signs);
}

/* The file cannot be completed here. */
static void fail_check(recv_state *s, int status, uint64_t now)
{
    (void)dx_bulk_stop(&s->bulk.bulk, DX_HBTP_STATUS_INTERNAL, 0, now);
    s->bulk.stale = true;
    finish(s, status);
}

/* The content differs from what was announced, even after damaged chunks were fetched again. */
static void fail_content(recv_state *s, int status)
{
    (void)dx_bulk_verify(&s->bulk.bulk, false);
    s->bulk.stale = true;
    finish(s, status);
}

/* Another program has written into the partial file: damaged chunks are fetched again, by a sender that takes
   this receiver for one that was killed and started again. */
static void repair(recv_state *s, uint64_t now)
{
    const unsigned damaged = s->sums.damaged;
    const dx_bulk_metrics *m = &s->bulk.bulk.metrics;
    assert(damaged && s->bulk.bulk.state == DX_BULK_WHOLE);
    if (s->repairs == REPAIRS_MAX) {
        fail_content(s, prog_fail(PROG_DAMAGED, "%s: another program writes into it; nothing was stored",
                                  s->target.part));
        return;
    }
    if (!s->repairs)
        prog_warn("%s: another program has written into it; %u chunks are sent again", s->target.part, damaged);
    s->repairs++;
    s->earlier_bytes += m->bytes;
    s->earlier_opened += m->opened;
    s->comparing = false;
    s->saved_done = UINT64_MAX;
    wan_target_unsync(&s->target);
    wan_hash_begin(&s->hash);
    if (!fetch_again(s))
        fail_check(s, prog_fail(PROG_SYSTEM, "%s: damaged chunks cannot be fetched again", s->target.part), now);
}

/* Compare the complete file with what arrived, a part at a time. True: all of it is compared. */
static bool compare(recv_state *s, uint64_t now)
{
    if (!s->comparing) s->compared = 0;
    s->comparing = true;
    if (wan_sums_step(&s->sums, s->target.file, &s->compared, s->sums.size, NULL) < 0) {
        fail_check(s, prog_fail_errno("%s", s->target.part), now);
        return false;
    }
    if (s->compared < s->sums.size) {
        tell(s, now, true);
        return false;
    }
    s->comparing = false;
    if (!s->sums.damaged) return true;
    repair(s, now);
    return false;
}

/* The whole file is hashed. False: it is not what was announced. */
static bool verify(recv_state *s, uint64_t now)
{
    uint8_t hash[32];
    wan_hash_end(&s->hash, hash);
    if (!memcmp(hash, s->bulk.bulk.object.hash, sizeof hash)) return true;
    if (wan_sums_doubt(&s->sums)) {
        repair(s, now);
        return false;
    }
    fail_content(s, prog_fail(PROG_DAMAGED, "%s: the content that arrived is not what the sender announced; "
                                            "nothing was stored", s->join.name));
    return false;
}

/* The file is whole, verified, durable and compared: it gets its name. */
static void place(recv_state *s, uint64_t now)
{
    int status = PROG_OK;
    os_info info;
    const bool is_longer = os_info_of(s->target.file, &info) == 0 && info.size != s->sums.size;
    if (is_longer && !wan_target_size(&s->target, s->sums.size, &s->why)) /* another program may have appended to it */
        status = prog_fail(PROG_SYSTEM, "%s: %s", s->target.part, s->why);
    if (!status) status = wan_target_place(&s->target);
    if (status) {
        fail_check(s, status, now);
        return;
    }
    s->placed = true;
    (void)dx_bulk_verify(&s->bulk.bulk, true);
    s->bulk.stale = true;
    finish(s, PROG_OK);
}

/* Hash the bytes that arrived without a gap. The complete file is placed or refused. */
static void check(recv_state *s, uint64_t now)
{
    const dx_bulk *b = &s->bulk.bulk;
    if (b->state == DX_BULK_WAITING || b->state >= DX_BULK_DONE) return;
    if (!s->sums.damaged && s->hash.bytes < b->front &&
        wan_sums_step(&s->sums, s->target.file, &s->hash.bytes, b->front, &s->hash) < 0) {
        fail_check(s, prog_fail_errno("%s", s->target.part), now);
        return;
    }
    if (b->state != DX_BULK_WHOLE) return;
    if (!s->sums.damaged && s->hash.bytes < b->object.size) {
        tell(s, now, false);
        return;
    }
    if (s->sums.damaged) { /* find all of them */
        (void)compare(s, now);
        return;
    }
    if (!s->comparing && !s->target.syncing.done && !s->target.syncing.running && !verify(s, now)) return;
    const int synced = s->comparing ? 0 : wan_target_sync(&s->target);
    if (synced > 0) tell(s, now, true);
    else if (synced < 0) fail_check(s, prog_fail_errno("%s", s->target.part), now);
    else if (compare(s, now)) place(s, now);
}

/* Make the partial file durable every SAVE_S. */
static void save(recv_state *s, uint64_t now)
{
    const uint64_t done = s->bulk.bulk.metrics.bytes_done;
    if (s->bulk.bulk.state != DX_BULK_RUNNING || done == s->saved_done) return;
    if (now - s->saved_ns < SAVE_S * SECOND) return;
    s->saved_ns = now;
    s->saved_done = done;
    wan_target_save(&s->target, &s->bulk.bulk);
}

/* End a transfer that cannot be completed. */
static void give_up(recv_state *s, uint64_t now)
{
    dx_bulk *b = &s->bulk.bulk;
    const unsigned seconds = (unsigned)(s->o->timeout_ns / SECOND);
    const bool running = s->joined && (b->state != DX_BULK_WAITING || s->repairs);
    if (is_ended(s) && s->o->ender && !s->joined) {
        finish(s, PROG_OK);
    } else if (is_ended(s)) {
        if (s->joined) (void)dx_bulk_stop(b, DX_HBTP_STATUS_UNAVAILABLE, 0, now);
        finish(s, prog_fail(PROG_NETWORK, "the transfer was interrupted%s",
                            running ? "; the partial file is kept, to be resumed" : ""));
    } else if (s->joined && b->state == DX_BULK_FAILED) {
        errno = s->bulk.system_error;
        if (b->error == DX_BULK_ESYS) finish(s, prog_fail_errno("%s", s->target.part));
        else if (b->status == DX_HBTP_STATUS_UNAVAILABLE)
            finish(s, prog_fail(PROG_NETWORK, "the sender was ended; the partial file is kept"));
        else finish(s, prog_fail(PROG_NETWORK, "the sender gave up (status %u); the partial file is "
                                               "kept", (unsigned)b->status));
    } else if (s->joined && s->bulk.faults >= FAULTS_MAX) {
        finish(s, prog_fail(PROG_NETWORK, "the sender broke the protocol on %u connections in a row: "
                            "%s", FAULTS_MAX, wan_bulk_fault_text(s->bulk.fault)));
    } else if (running && now - s->moved_ns >= s->o->timeout_ns) {
        finish(s, prog_fail(PROG_NETWORK, "nothing new has arrived for %u s; the partial file is "
                                          "kept, to be resumed", seconds));
    } else if (!running && s->o->wait_ns && now - s->began_ns >= s->o->wait_ns) {
        finish(s, prog_fail(PROG_NETWORK, "no sender has come within %u s",
                            (unsigned)(s->o->wait_ns / SECOND)));
    }
}

/* The image of a directory is verified: make the directory. Returns a status with a message, and *more if
   it is to be called again. */
static int unpack(recv_state *s, uint64_t now, bool *more)
{
    wan_unpack *u = &s->unpack;
    int result = 1;
    if (!s->unpacking) {
        const int cleaned = wan_target_clean(&s->target);
        if (cleaned < 0) return -cleaned;
        s->unpacking = !cleaned;
        if (s->unpacking && !wan_unpack_begin(u, s->target.file, s->image.round.size, s->target.tree)) result = -1;
    }
    if (result > 0 && s->unpacking && !s->unpacked) {
        result = wan_unpack_step(u);
        s->image.unpacked = u->done;
        s->unpacked = !result;
    }
    if (s->unpacked) result = wan_target_sync(&s->target);
    *more = result > 0;
    if (*more) wan_image_tell(&s->image, now, !s->unpacking || s->unpacked);
    if (result < 0 && u->why)
        return prog_fail(PROG_NETWORK, "%s: %s; nothing was stored", s->join.name, u->why);
    return result < 0 ? prog_fail_errno("%s", s->target.tree) : PROG_OK;
}

/* All of a mirror is durable: does the partial file still have what was verified? Returns a status with a message, and
   *more if it is to be called again. */
static int compare_mirror(recv_state *s, uint64_t now, bool *more, const char **text)
{
    const int result = wan_image_compare(&s->image, now);
    *more = result > 0;
    if (result >= 0) return PROG_OK;
    *text = "another program wrote into the partial file";
    if (errno && errno != EIO) return prog_fail_errno("%s", s->target.part);
    return prog_fail(PROG_DAMAGED, "%s: another program wrote into it; nothing was stored", s->target.part);
}

/* The last round of a mirror is verified: the copy gets its name. */
static void place_mirror(recv_state *s, uint64_t now)
{
    bool more = false;
    const char *text = "the file cannot be stored";
    int status = PROG_OK;
    if (s->join.kind == WAN_TREE) {
        status = unpack(s, now, &more);
        text = s->unpack.why ? s->unpack.why : "the directory cannot be made";
    }
    if (s->join.kind != WAN_TREE) {
        const int synced = wan_target_sync(&s->target);
        more = synced > 0;
        if (more) wan_image_tell(&s->image, now, true);
        if (synced < 0) status = prog_fail_errno("%s", s->target.part);
    }
    if (!more && !status) status = compare_mirror(s, now, &more, &text);
    if (more && !status) return;
    if (!status) status = wan_target_place(&s->target);
    s->placed = !status;
    wan_image_answer(&s->image, status ? WAN_FAILED : WAN_STORED, status ? text : NULL);
    finish(s, status);
}

/* The same for a mirror. */
static void tick_mirror(recv_state *s, uint64_t now)
{
    wan_image *i = &s->image;
    wan_image_step(i, now);
    const uint64_t moved = wan_image_moved(i);
    /* A mirror may rest between two rounds: its connections have keep-alive messages. */
    if (moved != s->moved || (i->verified && !i->checking && s->loop.links.count)) s->moved_ns = now;
    s->moved = moved;
    if (i->finished && !s->placed && !s->over) place_mirror(s, now);
    if (s->over) return;
    if (is_ended(s)) {
        finish(s, prog_fail(PROG_NETWORK, "the mirror was interrupted; the partial file is kept, to be "
                                          "resumed"));
    } else if (i->why) {
        begin_refusal(s, s->from);
        finish(s, prog_fail(i->system_error ? PROG_SYSTEM : PROG_REFUSED, "%s: %s", s->target.path, i->why));
        end_refusal(s, s->from, i->why);
    } else if (i->system_error) {
        errno = i->system_error;
        finish(s, prog_fail_errno("%s", s->target.part));
    } else if (i->faults >= FAULTS_MAX) {
        finish(s, prog_fail(PROG_NETWORK, "the sender broke the protocol on %u connections in a row: "
                            "a message breaks the rules of the mirror", FAULTS_MAX));
    } else if (now - s->moved_ns >= s->o->timeout_ns) {
        finish(s, prog_fail(PROG_NETWORK, "nothing new has arrived for %u s; the partial file is "
                            "kept, to be resumed", (unsigned)(s->o->timeout_ns / SECOND)));
    }
}

/* After each turn. */
static void tick(recv_state *s, uint64_t now)
{
    wan_refusals_tick(s->o->refusals, false);
    if (is_mirror(s)) {
        tick_mirror(s, now);
        return;
    }
    if (s->joined && !s->over) {
        const dx_bulk *b = &s->bulk.bulk;
        check(s, now);
        save(s, now);
        const uint64_t moved = b->metrics.bytes_done + s->hash.bytes + s->compared + s->signs + (uint64_t)b->state +
                               s->bulk.far.valid;
        if (s->bulk.far.valid != s->heard_signs && b->state == DX_BULK_WAITING) s->began_ns = now;
        s->heard_signs = s->bulk.far.valid;
        if (moved != s->moved) {
            s->moved = moved;
            s->moved_ns = now;
        }
        if (b->known)
            prog_progress("received", b->metrics.bytes_done, b->object.size, false);
    }
    if (!s->over) give_up(s, now);
}

static bool is_hashing(const recv_state *s)
{
    if (is_mirror(s)) return (s->image.checking || s->image.comparing || (s->unpacking && !s->unpacked)) && !s->over;
    if (!s->joined || s->over || s->bulk.bulk.state == DX_BULK_WAITING) return false;
    return s->comparing || (s->hash.bytes < s->bulk.bulk.front && !s->sums.damaged);
}

/* Is a thread at work, after which the file is renamed? */
static bool is_waiting(const recv_state *s) { return s->target.cleaning.running || s->target.syncing.running; }

/* Until the end, and then until the sender knows of it. */
static int run(recv_state *s)
{
    uint64_t wake = 0;
    int status = PROG_OK;
    bool told = false;
    while (!status) {
        const uint64_t now = (uint64_t)prog_now_ns();
        if (is_mirror(s)) {
            if (s->over && now >= s->over_ns) break;
            if (s->over && !s->loop.links.count && (s->heard || !s->placed)) break;
            const uint64_t rest_ns = is_hashing(s) ? 0 : is_waiting(s) ? WORK_LOOK_NS : SECOND;
            status = wan_loop_turn(&s->loop, now + rest_ns);
            tick(s, (uint64_t)prog_now_ns());
            continue;
        }
        if (s->joined && (s->bulk.stale || now >= wake)) {
            wan_bulk_pump_all(&s->bulk);
            wake = now + SECOND / 4;
        }
        told = told || (s->over && s->joined && s->bulk.bulk.metrics.connections);
        if (s->over && (!s->joined || now >= s->over_ns)) break;
        if (s->over && !s->bulk.bulk.metrics.connections && (told || !s->placed)) break;
        if (is_waiting(s)) wake = now + WORK_LOOK_NS;
        status = wan_loop_turn(&s->loop, is_hashing(s) ? now : wake ? wake : now + SECOND);
        tick(s, (uint64_t)prog_now_ns());
    }
    prog_progress("received", 0, 0, true);
    return s->over ? s->status : status;
}

static void report_mirror(const recv_state *s, double seconds)
{
    const wan_image *i = &s->image;
    char size[32], hash[65];
    prog_json j;
    if (s->o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "path", s->target.path);
        prog_json_number(&j, "size", i->round.size);
        prog_json_number(&j, "rounds", i->rounds);
        prog_json_number(&j, "regions_stored", i->regions);
        prog_json_number(&j, "nacks", i->nacks);
        prog_json_number(&j, "record_bytes", i->record_bytes);
        prog_json_number(&j, "link_bytes", s->loop.links.received);
        prog_json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
        prog_json_hash(&j, "blake3", i->round.hash);
        prog_json_end(&j);
        return;
    }
    prog_say("%s: %s byte%s, %llu round%s in %.2f s\n", s->target.path, prog_count_text(i->round.size, size),
             prog_plural(i->round.size), (unsigned long long)i->rounds, prog_plural(i->rounds), seconds);
    prog_say("blake3 %s\n", prog_hash_text(i->round.hash, hash));
}

static void report(const recv_state *s)
{
    const dx_bulk *b = &s->bulk.bulk;
    const double seconds = (double)((uint64_t)prog_now_ns() - s->began_ns) / 1e9;
    char size[32], kept[32], hash[65];
    prog_json j;
    if (s->o->quiet) return;
    if (is_mirror(s)) {
        report_mirror(s, seconds);
        return;
    }
    if (s->o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "path", s->target.path);
        prog_json_number(&j, "size", b->object.size);
        prog_json_number(&j, "resumed_bytes", s->resumed_bytes);
        prog_json_number(&j, "received_bytes", s->earlier_bytes + b->metrics.bytes);
        prog_json_number(&j, "link_bytes", s->loop.links.received);
        prog_json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
        prog_json_number(&j, "connections_opened", s->earlier_opened + b->metrics.opened);
        prog_json_number(&j, "chunks_duplicate", b->metrics.chunks_duplicate);
        prog_json_hash(&j, "blake3", b->object.hash);
        prog_json_end(&j);
        return;
    }
    prog_say("%s: %s byte%s in %.2f s", s->target.path, prog_count_text(b->object.size, size),
             prog_plural(b->object.size), seconds);
    if (s->resumed) prog_say(", %s of them were here", prog_count_text(s->resumed_bytes, kept));
    prog_say("\n");
    prog_say("blake3 %s\n", prog_hash_text(b->object.hash, hash));
}

static int start(recv_state *s, int *listener)
{
    dx_link_desc links = {0};
    links.links_max = WAN_STREAMS_MAX;
    links.user = s;
    links.opened = on_opened;
    links.writable = on_writable;
    links.closed = on_closed;
    links.session.keepalive_ns = s->o->health_ns;
    int status = wan_loop_open(&s->loop, &links, s->o, true);
    if (status) return status;
    dx_hbtp_router_set_method(&s->loop.router, WAN_RPC_JOIN, on_join, NULL);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_FILE_CHUNK, on_frame, NULL);
    s->began_ns = (uint64_t)prog_now_ns();
    if (!os_random(s->number, sizeof s->number))
        return prog_fail(PROG_SYSTEM, "the system gives no random numbers");
    if (s->o->listener >= 0) return wan_loop_accept(&s->loop, s->o->listener);
    return wan_loop_listen(&s->loop, s->o->address, listener);
}

int wan_recv(const wan_options *o)
{
    int status = o->listener >= 0 ? PROG_OK : wan_target_check("--out", o->out);
    if (status) return status;
    recv_state *s = prog_alloc(sizeof *s);
    int listener = -1;
    memset(s, 0, sizeof *s);
    s->options = *o;
    s->o = &s->options;
    if (!o->refusals) s->options.refusals = &s->refusals;
    s->target.file = -1;
    status = start(s, &listener);
    if (!status) status = run(s);
    if (s->joined && !s->placed) {
        const bool keep = status != PROG_DAMAGED && (is_mirror(s) || s->bulk.bulk.known);
        if (keep && s->sums.damaged) (void)fetch_again(s); /* by the next run */
        if (keep && !is_mirror(s)) (void)wan_target_save_now(&s->target, &s->bulk.bulk);
        wan_target_close(&s->target, keep);
    }
    if (!status && s->joined) report(s);
    if (s->placed) wan_target_close(&s->target, false);
    wan_loop_drain(&s->loop);
    wan_loop_close(&s->loop);
    if (s->unpacking) wan_unpack_end(&s->unpack);
    if (is_mirror(s)) wan_image_close(&s->image);
    else if (s->joined) wan_bulk_end(&s->bulk);
    wan_sums_close(&s->sums);
    if (listener >= 0) os_close_socket(listener);
    if (!o->refusals) wan_refusals_tick(&s->refusals, true);
    free(s);
    return status;
}
