/* Both sides of a listing. The server writes entries into an answer until it is full; the client
   repeats the request for the remaining entries.

       answer    | more | size | entry | size | entry | ...          at most ANSWER_MAX bytes */
#include "listing.h"

#include "address.h"
#include "loop.h"
#include "wire.h"
#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MAX      = 32 << 10,
    ENTRY_MAX       = 512,
    ENTRIES_MAX     = 1 << 17, /* that a client accepts in all: 60 MB */
    OUT_SIZE        = 4096,
    PAYLOAD_MAX     = 2 * 65536,
    SILENCE_LIMIT_S = 60
};

/* >>server ------------------------------------------------------------- */
typedef struct answer {
    uint8_t *bytes;
    size_t   size;
    uint64_t skip; /* entries still to skip */
} answer;

/* Append an entry. False: the answer is full. */
static bool put_entry(answer *a, const versions_version *v)
{
    uint8_t entry[ENTRY_MAX];
    names_entry_writer w;
    size_t size = 0;
    if (a->skip) {
        a->skip--;
        return true;
    }
    names_entry_begin(&w, entry, sizeof entry, DX_TELEPORT_BARE);
    names_entry_set_version(&w, v->version);
    names_entry_set_size(&w, v->size);
    names_entry_set_time_ns(&w, v->time_ns);
    names_entry_set_tagged(&w, v->tagged);
    names_entry_set_kind(&w, (uint8_t)v->kind);
    names_entry_set_hash(&w, v->snapshot ? v->root : v->hash);
    names_entry_put_name(&w, v->name, strlen(v->name));
    names_entry_set_torn(&w, v->torn);
    names_entry_set_mode(&w, (uint16_t)v->mode);
    names_entry_set_consistent(&w, v->consistent);
    names_entry_set_snapshot(&w, v->snapshot);
    const int error = names_entry_finish(&w, &size);
    assert(!error && size < ENTRY_MAX);
    (void)error;
    if (size + 2 > ANSWER_MAX - a->size) {
        a->bytes[0] = 1;
        return false;
    }
    a->bytes[a->size++] = (uint8_t)(size & 0xff);
    a->bytes[a->size++] = (uint8_t)(size >> 8);
    memcpy(a->bytes + a->size, entry, size);
    a->size += size;
    return true;
}

static bool is_tag_of(const versions_version *v, const char *name)
{
    const size_t size = strlen(name);
    return v->tagged && !strncmp(v->name, name, size) && v->name[size] == '@' &&
           versions_tag_in(v->name) == v->name + size + 1;
}

static int put_versions(versions_store *s, const char *name, answer *a, bool *full)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    bool any = false;
    while (!*full && !(status = versions_history_next(&history, s, name, &v))) {
        any = true;
        *full = !put_entry(a, &v);
    }
    if (*full) return PROG_OK;
    return status == PROG_NOT_FOUND && any ? PROG_OK : status;
}

int dxup_names_make(versions_store *s, const void *request, size_t request_size, uint8_t **out,
                    size_t *size)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    versions_version *list = NULL;
    names_request_view v;
    size_t count = 0;
    bool full = false;
    if (names_request_open_bare(&v, request, request_size, DXUP_WIRE_VERSION)) return PROG_USAGE;
    const dx_teleport_string text = names_request_get_name(&v);
    if (text.size > PROG_NAME_SIZE_MAX || memchr(text.data, 0, text.size)) return PROG_USAGE;
    memcpy(name, text.data, text.size);
    name[text.size] = 0;
    answer a = {.bytes = prog_alloc(ANSWER_MAX), .size = 1, .skip = names_request_get_skip(&v)};
    a.bytes[0] = 0;
    int status = *name ? put_versions(s, name, &a, &full) : PROG_OK;
    if (!status && !full) status = versions_version_list(s, &list, &count);
    for (size_t i = 0; !status && !full && i < count; i++)
        if (!*name || is_tag_of(&list[i], name)) full = !put_entry(&a, &list[i]);
    free(list);
    if (status) free(a.bytes);
    else *out = a.bytes;
    *size = a.size;
    return status;
}

/* >>client ------------------------------------------------------------- */
typedef struct listing {
    const char        *address;
    const char        *name;
    dxup_addresses     addresses;
    unsigned           address_at;
    dx_reactor         reactor;
    dx_op              timer_op;
    void              *reactor_memory, *links_memory;
    dx_link            links;
    dx_link_id         id;
    dx_hbtp_router     router;
    versions_version **list;
    size_t            *count;
    size_t             room;
    bool               opened, over;
    int                status;
    int64_t            moved_ns; /* when data last arrived */
    size_t             size;
    uint8_t            answer[ANSWER_MAX];
} listing;

static void end(listing *l, int status)
{
    if (l->over) return;
    l->over = true;
    l->status = status;
    dx_reactor_stop(&l->reactor);
}

static void ask(listing *l)
{
    uint8_t request[512];
    names_request_writer w;
    size_t size = 0;
    names_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    names_request_set_skip(&w, *l->count);
    names_request_put_name(&w, l->name, strlen(l->name));
    if (names_request_finish(&w, &size)) {
        end(l, prog_fail(PROG_USAGE, "'%s' is not a valid name: %s", l->name, PROG_NAME_RULE));
        return;
    }
    int error = dx_hbtp_call(dx_link_session(&l->links, l->id), DXUP_RPC_NAMES, request, size,
                             UINT64_MAX, NULL, NULL);
    if (error)
        end(l, prog_fail(PROG_NETWORK, "%s: %s", l->address, dxup_protocol_text(error)));
}

static bool parse_entry(listing *l, const uint8_t *bytes, size_t size)
{
    names_entry_view v;
    if (names_entry_open_bare(&v, bytes, size, DXUP_WIRE_VERSION)) return false;
    const dx_teleport_string name = names_entry_get_name(&v);
    const int kind = names_entry_get_kind(&v);
    if (!name.size || name.size > PROG_NAME_SIZE_MAX || memchr(name.data, 0, name.size) ||
        (kind != PROG_FILE && kind != PROG_TREE) || *l->count >= ENTRIES_MAX)
        return false;
    if (*l->count == l->room) {
        l->room = l->room * 2 + 64;
        *l->list = realloc(*l->list, l->room * sizeof **l->list);
        if (!*l->list) abort();
    }
    versions_version *out = &(*l->list)[*l->count];
    memset(out, 0, sizeof *out);
    memcpy(out->name, name.data, name.size);
    out->version = names_entry_get_version(&v);
    out->size = names_entry_get_size(&v);
    out->time_ns = names_entry_get_time_ns(&v);
    out->tagged = names_entry_get_tagged(&v);
    out->kind = kind;
    names_entry_copy_hash(&v, 0, out->hash, sizeof out->hash);
    out->torn = names_entry_get_torn(&v);
    out->mode = names_entry_get_mode(&v);
    out->consistent = names_entry_get_consistent(&v) && !out->torn;
    out->snapshot = names_entry_get_snapshot(&v) && kind == PROG_TREE;
    if (out->snapshot) memcpy(out->root, out->hash, sizeof out->root);
    if (out->tagged && !versions_tag_in(out->name)) return false;
    ++*l->count;
    return true;
}

/* Handle a complete answer. */
static void handle_answer(listing *l)
{
    const size_t before = *l->count;
    bool good = true;
    for (size_t at = 1; good && at < l->size;) {
        good = l->size - at >= 2;
        const size_t size = good ? l->answer[at] | (size_t)l->answer[at + 1] << 8 : 0;
        at += 2;
        good = good && size && size <= l->size - at && parse_entry(l, l->answer + at, size);
        at += size;
    }
    const bool more = l->answer[0] == 1;
    l->size = 0;
    if (!good || (more && *l->count == before))
        end(l, prog_fail(PROG_NETWORK, "the server's list of names is malformed"));
    else if (more) ask(l);
    else end(l, PROG_OK);
}

static int on_file_chunk(const dx_hbtp_context *context)
{
    listing *l = context->session->desc.user;
    dx_hbtp_file_chunk chunk;
    if (l->over) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    if (error || chunk.transfer != DXUP_NAMES_TRANSFER || chunk.offset != l->size ||
        !chunk.data_size || chunk.data_size > sizeof l->answer - l->size) {
        end(l, prog_fail(PROG_DAMAGED, "the server sent a bad chunk of the list: %s",
                         error ? dxup_protocol_text(error) : "it was not asked for"));
        return 0;
    }
    memcpy(l->answer + l->size, chunk.data, chunk.data_size);
    l->size += chunk.data_size;
    l->moved_ns = prog_now_ns();
    if (chunk.final) handle_answer(l);
    return 0;
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    listing *l = session->desc.user;
    if (l->over || !r->error || r->error == DX_HBTP_ECANCELED) return;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND && *l->name)
        end(l, prog_fail(PROG_NOT_FOUND, "the server has no '%s'; 'dxup ls %s' lists its names",
                         l->name, l->address));
    else if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        end(l, prog_fail(PROG_NETWORK, "%s is not a dxup server, or one of a release that cannot "
                                       "list names", l->address));
    else if (r->error == DX_HBTP_EREMOTE)
        end(l, prog_fail(PROG_NETWORK, "%s: the server refused: status %u", l->address, r->status));
    else end(l, prog_fail(PROG_NETWORK, "%s: %s", l->address, dxup_protocol_text(r->error)));
}

static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    listing *l = session->desc.user;
    (void)frame;
    if (l->over || event != DX_HBTP_EVENT_CLOSED || !session->error) return;
    if (session->error == DX_HBTP_ETIMEDOUT)
        end(l, prog_fail(PROG_NETWORK, "%s does not answer", l->address));
    else end(l, prog_fail(PROG_NETWORK, "%s is not a dxup server: it speaks another protocol",
                     l->address));
}

/* Start connecting to the first address, from address_at on, for which that is possible. */
static bool connect_on(listing *l)
{
    for (; l->address_at < l->addresses.count; l->address_at++) {
        if (dx_link_connect(&l->links, &l->addresses.list[l->address_at], &l->id)) continue;
        dx_link_session(&l->links, l->id)->desc.user = l;
        return true;
    }
    return false;
}

static void on_opened(dx_link *links, dx_link_id id)
{
    listing *l = dx_link_session(links, id)->desc.user;
    l->opened = true;
    ask(l);
}

static void on_closed(dx_link *links, dx_link_id id, int32_t reason)
{
    listing *l = dx_link_session(links, id)->desc.user;
    if (l->over) return;
    l->address_at++;
    if (!l->opened && connect_on(l)) return;
    end(l, prog_fail(PROG_NETWORK, "%s: %s", l->address,
                     reason ? os_error_text(-reason) : "the server closed the connection"));
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    listing *l = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0 || l->over) return;
    if (prog_now_ns() - l->moved_ns > (int64_t)SILENCE_LIMIT_S * 1000000000)
        end(l, prog_fail(PROG_NETWORK, "%s: the server stopped answering", l->address));
    else dx_reactor_timer(r, op, 1000000000);
}

static int open_links(listing *l)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&l->router);
    dx_hbtp_router_set(&l->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, NULL);
    desc.links_max = 2; /* the next address is tried while the previous connection closes */
    desc.out_size = OUT_SIZE;
    desc.block_count = 2 * DXUP_INPUT_BLOCKS;
    desc.session.router = &l->router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.user = l;
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = 2; /* Hello and the request */
    desc.session.pending_max = 1;
    desc.opened = on_opened;
    desc.closed = on_closed;
    desc.user = l;
    return dxup_links_open(&l->links, &l->reactor, &desc, &l->links_memory);
}

static int run(listing *l)
{
    dx_reactor_desc desc = {.pending_max = 64, .descriptors_max = 16, .queue_entries = 8,
                            .buffer_count = DXUP_INPUT_BUFFERS, .buffer_size = DXUP_INPUT_SIZE};
    int status = dxup_loop_open(&l->reactor, &desc, NULL, &l->reactor_memory);
    if (status) return status;
    dx_reactor_op_init(&l->timer_op, on_timer, l);
    status = open_links(l);
    l->moved_ns = prog_now_ns();
    if (!status && !connect_on(l))
        status = prog_fail(PROG_NETWORK, "%s: %s", l->address,
                           os_error_text(dx_reactor_sys_errno(&l->reactor)));
    if (!status) {
        dx_reactor_timer(&l->reactor, &l->timer_op, 1000000000);
        int error = dx_reactor_run(&l->reactor);
        if (error)
            status = prog_fail(PROG_SYSTEM, "the event loop failed: %s", dx_reactor_error_name(error));
    }
    l->over = true;
    dx_reactor_close(&l->reactor);
    return status ? status : l->status;
}

int dxup_names_fetch(const char *address, const char *name, versions_version **list, size_t *count)
{
    listing *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->address = address;
    l->name = name;
    l->list = list;
    l->count = count;
    *list = NULL;
    *count = 0;
    int status = dxup_addresses_find(&l->addresses, address, "the address");
    if (!status) status = run(l);
    free(l->links_memory);
    free(l->reactor_memory);
    free(l);
    return status;
}
