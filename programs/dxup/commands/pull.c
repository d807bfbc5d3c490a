/* dxup pull: the client.

       look_at_destination()   hash what is there
       send_sync_request()     name and hash: is it a snapshot?
       send_request()          else, or where the server is an older one: name and hash
       take_reply()            unchanged, patch or full; refuse what would lose something
       start_transfer()        open the staging file, resume what an earlier pull left
         on_file_chunk()       the bytes over this connection, or
         take_range()          over several (net/ranges.c)
           take_patch()        through the applier, or
           write_target()      directly into the staging file, hashed on the way
       finish_transfer()       compare the hash
       fetch_snapshot()        of a snapshot: what is lacking of it (net/sync.c), into a store
                               beside the destination, and from that the staging directory
       restore_details()       of a directory that came otherwise: pull what it has besides content,
                               in the same way, into a file beside it, and give it that
                               (tree/details_apply.c)
       replace()               replace the destination atomically
       record_version()        remember the version, so that no older one replaces it

   The first failure sets p->status and stops the event loop. */
#include "commands.h"

#include "../../versions/dest.h"
#include "../../versions/image.h"
#include "../../common/json.h"
#include "../../common/os.h"
#include "../../common/window.h"
#include "../net/address.h"
#include "../net/loop.h"
#include "../net/ranges.h"
#include "../net/sync.h"
#include "../net/wire.h"
#include "../../versions/tree/details.h"
#include "../../versions/tree/seeds.h"
#ifndef VERSIONS_NO_SNAPSHOTS
#include "../../versions/tree/scope.h"
#endif

#include "../../../dx_cas.h"
#include "../../../dx_patch.h"
#include "../../../layers/dx_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX      = 1 << 18, /* of a frame */
    OUT_SIZE         = 4096,    /* requests, and Pongs */
    CONNECTIONS_MAX  = 256,
    SILENCE_LIMIT_S  = 60,  /* a Ping is sent after half of it */
    STALL_LIMIT_S    = 600, /* a server that answers Pings may be making a patch for so long */
    APPLY_MEMORY_MAX = 256 << 20
};

#define FETCHED "-sync" /* of the store with what has been fetched of a snapshot */
#define SEEN "-seen"    /* of the cache of what the destination held after the last pull */

typedef struct pull {
    const dxup_options *o;
    dx_reactor          reactor;
    dx_op               timer_op;
    void               *reactor_memory;
    dxup_addresses      addresses; /* of the server, */
    unsigned            address_at; /* and which of them is tried, or was found good */
    dx_link             links;
    void               *links_memory;
    dx_link_id          id;        /* of the link that asks */
    bool                opened;    /* it has come about */
    bool                leaving;   /* it is not needed any more */
    bool                done;      /* nothing more is to happen */
    int                 status;    /* the first failure */
    uint64_t            sent;      /* bytes on the wire, of all connections */
    uint64_t            received;
    int64_t             started_ns;
    uint64_t            moved_ns;  /* when the reply or the last bytes of content arrived */

    dx_hbtp_router      router;

    /* of a pull of details (tree/details.h) */
    const struct pull   *of;         /* that of the content, or NULL: this is one of content */
    uint64_t             from;       /* number of the version whose details are there, or 0 */
    bool                 none;       /* the server has none */
    bool                 asks_sync;  /* the request was one for a snapshot */
    bool                 syncs;      /* the snapshot is to be fetched, */
    bool                 resumes;    /* and an earlier pull has left some of it */
    uint8_t              root[PROG_HASH_SIZE]; /* of it */
    versions_store *fetched; /* takes what is fetched, and of what the destination consists */
    versions_seeds      *seeds;      /* the destination, and --seed */
    versions_stat_cache *seen;       /* of the destination */
    uint8_t              old[PROG_HASH_SIZE]; /* the destination as a snapshot */
    bool                 whole;  /* no part of the directory can be replaced by itself */
#ifndef VERSIONS_NO_SNAPSHOTS
    versions_scope part;  /* what is replaced; its path is "": all of it */
#endif

    /* what we have */
    int                 have_kind; /* 0: nothing */
    uint8_t             have[PROG_HASH_SIZE];
    uint64_t            have_size;
    int                 base_fd;   /* it as one stream, */
    prog_windows        base;      /* and windows of it while a patch is applied */

    /* the reply */
    int                 outcome;
    int                 kind;
    uint32_t            transfer;  /* number of the transfer; 0: ask for ranges */
    uint64_t            version;
    uint64_t            size;
    uint64_t            wire_size; /* of the patch or the whole */
    unsigned            mode;
    uint8_t             hash[PROG_HASH_SIZE];

    /* the transfer */
    uint64_t         next;      /* offset of the next chunk */
    uint64_t         written;   /* bytes of the target */
    uint64_t         kept;      /* of these, bytes that an earlier pull has left */
    versions_dest    dest;
    bool             dest_open;
    bool             complete;  /* it is there, and has the right hash */
    int              partial;   /* PROG_PARTIAL: something could not be restored */
    bool             has_staging; /* an earlier pull left a staging file, of any version */
    dx_cas_blake3    hasher;  /* of the target */
    dx_patch_applier applier;
    bool             applying;
    uint8_t          head[DX_PATCH_HEADER_SIZE]; /* of the patch: says what memory it needs */
    void            *apply_memory;
    dxup_ranges     *ranges;  /* not NULL: the rest is transferred by these */
} pull;

/* The first failure decides the status; later ones are its consequences. PROG_OK just ends. */
static void fail(pull *p, int status)
{
    if (!p->status) p->status = status;
    p->done = true;
    dx_reactor_stop(&p->reactor);
}

/* Can the next pull resume this one if it is interrupted? Only a large whole file: the front of its
   content is in the staging file. */
static bool keeps(const pull *p)
{
    return p->outcome == DXUP_FULL && p->kind == PROG_FILE && p->wire_size >= DXUP_RANGES_FROM;
}

/* >>what we have ------------------------------------------------------- */
/* A pass over the destination. */
typedef struct measure {
    dx_cas_blake3 hasher;
    uint64_t      size;
    int           copy_fd; /* gets a copy of the stream; -1: none */
} measure;

static int measure_bytes(void *user, const void *bytes, size_t size)
{
    measure *m = user;
    dx_cas_blake3_update(&m->hasher, bytes, size);
    m->size += size;
    assert(m->size >= size);
    prog_progress("hashing", m->size, 0, false);
    if (m->copy_fd >= 0 && !prog_write_all(m->copy_fd, bytes, size))
        return prog_fail_errno("a temporary file");
    return PROG_OK;
}

/* A temporary file beside path, unlinked at once, so that it disappears with this process. */
static int open_unnamed(const char *path)
{
    char name[PROG_PATH_SIZE_MAX + 64];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    snprintf(name, sizeof name, "%.*s.dxup-base", (int)size, path);
    return os_open_unnamed(name);
}

/* Hash the destination. copied: a tree is also written out as a stream, because a patch reads its
   base at any offset. */
static int look_at_destination(pull *p, bool copied)
{
    measure m = {.copy_fd = -1};
    unsigned mode;
    assert(p->base_fd < 0);
    p->have_size = 0;
    os_replace_recover(p->o->path);
    int status = versions_image_stat(p->o->path, &p->have_kind, &mode);
    if (status == PROG_NOT_FOUND) return PROG_OK;
    if (status) return status;
    bool tree = p->have_kind == PROG_TREE;
    if (tree && copied) m.copy_fd = p->base_fd = open_unnamed(p->o->path);
    else if (!tree) p->base_fd = os_open(p->o->path);
    if (p->base_fd < 0 && (copied || !tree)) return prog_fail_errno("%s", p->o->path);
    dx_cas_blake3_init(&m.hasher);
    status = versions_image_read(p->o->path, p->have_kind, measure_bytes, &m);
    if (status) return status;
    dx_cas_blake3_final(&m.hasher, p->have, sizeof p->have);
    p->have_size = m.size;
    return PROG_OK;
}

/* >>snapshots: before the server is asked ------------------------------- */
#ifndef VERSIONS_NO_SNAPSHOTS
/* What a directory is not given: its owners unless they are asked for. */
static versions_omit leaves(const pull *p)
{
    versions_omit omit = p->o->omit;
    omit.owner = !p->o->owner;
    return omit;
}

/* A store beside the destination takes what arrives: whoever is killed finds it there again. It is
   removed when the destination is replaced. */
static int begin_fetch(pull *p)
{
    os_info info;
    char path[PROG_PATH_SIZE_MAX + 64];
    if (p->fetched) return PROG_OK;
    assert(!p->dest_open);
    int status = versions_dest_open(&p->dest, p->o->path, PROG_TREE, p->mode, NULL);
    p->dest_open = !status;
    if (status) return status;
    versions_dest_beside(&p->dest, FETCHED, path);
    p->resumes = os_look(path, false, &info) == 0;
    if (p->resumes && info.kind != OS_FOLDER) { /* a link leads to what is no business of ours */
        status = prog_remove_all(path);
        if (status) return status;
        p->resumes = false;
    }
    status = versions_store_open(&p->fetched, path, VERSIONS_CREATE);
    if (status == PROG_DAMAGED) { /* of no use, and of no other's */
        p->resumes = false;
        status = prog_remove_all(path);
        if (!status) status = versions_store_open(&p->fetched, path, VERSIONS_CREATE);
    }
    return status;
}

static void end_fetch(pull *p)
{
    if (p->fetched) {
        versions_store_set_seed(p->fetched, NULL, NULL);
        versions_seeds_close(p->seeds);
        versions_store_close(p->fetched);
    }
    versions_stat_cache_close(p->seen);
    p->fetched = NULL;
    p->seeds = NULL;
    p->seen = NULL;
}

/* Look at the destination, which is a directory. */
static int scan(pull *p, uint64_t *size)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    const versions_omit omit = leaves(p);
    int status = begin_fetch(p);
    if (status || p->seeds) return status;
    if (!p->seen) {
        if (p->o->checksum) (void)versions_dest_remove_beside(&p->dest, SEEN);
        versions_dest_beside(&p->dest, SEEN, path);
        p->seen = versions_stat_cache_open_at(path);
    }
    return versions_seeds_open(&p->seeds, p->fetched, p->o->path, &omit, p->seen, p->old, size);
}

/* What the cache is of: a snapshot of the destination, and the hash of its stream. */
static void cache_key(const uint8_t root[32], const uint8_t hash[32], uint8_t out[32])
{
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    dx_cas_blake3_update(&h, root, 32);
    dx_cas_blake3_update(&h, hash, 32);
    dx_cas_blake3_final(&h, out, 32);
}

/* Is the destination what the last pull has left there? Then its hash is known, and only what a look
   shows to have changed is read. *known: it is. */
static int look_by_cache(pull *p, bool *known)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    uint8_t hash[PROG_HASH_SIZE], key[PROG_HASH_SIZE];
    uint64_t version, size = 0;
    unsigned mode;
    bool there;
    *known = false;
    int status = versions_dest_find_staging(&p->dest, p->o->path, &there);
    if (status) return status;
    versions_dest_beside(&p->dest, SEEN, path);
    p->seen = versions_stat_cache_open_at(path);
    if (!versions_stat_cache_any(p->seen) ||
        !versions_dest_recorded(&p->dest, p->o->name, &version, hash) ||
        versions_image_stat(p->o->path, &p->have_kind, &mode) || p->have_kind != PROG_TREE)
        return PROG_OK;
    status = scan(p, &size);
    cache_key(p->old, hash, key);
    *known = !status && versions_stat_cache_is_of(p->seen, key);
    if (!*known) return status;
    memcpy(p->have, hash, sizeof p->have);
    p->have_size = size;
    return PROG_OK;
}

/* A part of the destination has been replaced: save what the rest of it is. */
static void remember(pull *p)
{
    uint8_t key[PROG_HASH_SIZE];
    const versions_omit omit = leaves(p);
    bool good = *p->part.path && versions_seeds_again(p->seeds, p->fetched, p->o->path, &omit,
                                                      p->seen, p->part.path, p->old);
    if (!good) {
        (void)versions_dest_remove_beside(&p->dest, SEEN);
        return;
    }
    cache_key(p->old, p->hash, key);
    versions_stat_cache_save(p->seen, key);
}
#else
static void end_fetch(pull *p) { (void)p; }
static void remember(pull *p) { (void)p; }

static int look_by_cache(pull *p, bool *known)
{
    (void)p;
    *known = false;
    return PROG_OK;
}
#endif

/* >>receiving ---------------------------------------------------------- */
/* The next bytes of the target, from the wire or from the applier. */
static int write_target(void *user, const void *bytes, size_t size)
{
    pull *p = user;
    assert(p->dest_open);
    dx_cas_blake3_update(&p->hasher, bytes, size);
    p->written += size;
    prog_progress(p->o->name, p->written, p->size, false);
    return versions_dest_write(&p->dest, bytes, size);
}

/* A window of the base, from the file. */
static int read_base_file(void *user, uint64_t offset, void *out, size_t size)
{
    pull *p = user;
    assert(p->base_fd >= 0);
    uint8_t *at = out;
    while (size) {
        int64_t n = os_read_at(p->base_fd, offset, at, size);
        if (n < 0) return prog_fail_errno("%s", p->o->path);
        if (n == 0)
            return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->o->path);
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return PROG_OK;
}

/* The applier asks for bytes of the base. */
static int read_base(void *user, uint64_t offset, void *out, size_t size)
{
    pull *p = user;
    return prog_windows_read(&p->base, offset, out, size);
}

static int apply_failed(pull *p, int error)
{
    assert(error);
    int inner = dx_patch_applier_callback_result(&p->applier);
    if (error == DX_PATCH_ESYS && inner) return inner; /* already reported */
    return prog_fail(PROG_DAMAGED, "the patch cannot be applied: %s", dx_patch_error_name(error));
}

/* The header of the patch is complete: check it against the reply. */
static int start_applier(pull *p)
{
    dx_patch_header header;
    int error = dx_patch_info(p->head, sizeof p->head, &header);
    if (error) return prog_fail(PROG_DAMAGED, "not a patch: %s", dx_patch_error_name(error));
    if (header.memory_size > APPLY_MEMORY_MAX)
        return prog_fail(PROG_REFUSED, "the patch needs too much memory");
    if (header.target_size != p->size || memcmp(header.target_hash, p->hash, PROG_HASH_SIZE) != 0)
        return prog_fail(PROG_DAMAGED, "the patch makes another version than the server announced");
    assert(!p->applying);
    dx_patch_applier_desc desc = {0};
    desc.user = p;
    desc.read = read_base;
    desc.write = write_target;
    desc.base_size = p->have_size;
    /* more than it needs: the applier reads and writes in larger pieces then */
    desc.memory_size = (size_t)header.memory_size + PROG_IO_SIZE + 4096;
    p->apply_memory = prog_alloc(desc.memory_size);
    desc.memory = p->apply_memory;
    desc.target_size_max = p->size;
    /* look_at_destination() has just computed it */
    desc.skip_base_hash = memcmp(header.base_hash, p->have, PROG_HASH_SIZE) == 0;
    desc.skip_target_hash = true; /* write_target() hashes, finish_transfer() compares */
    prog_windows_open(&p->base, p->have_size, read_base_file, p);
    error = dx_patch_applier_init(&p->applier, &desc);
    if (!error) error = dx_patch_applier_feed(&p->applier, p->head, sizeof p->head);
    p->applying = true;
    return error ? apply_failed(p, error) : PROG_OK;
}

/* The next bytes of the patch; its head is collected first. */
static int take_patch(pull *p, uint64_t offset, const uint8_t *bytes, size_t size)
{
    if (offset < sizeof p->head) {
        size_t n = sizeof p->head - (size_t)offset < size ? sizeof p->head - (size_t)offset : size;
        memcpy(p->head + offset, bytes, n);
        bytes += n;
        size -= n;
        if (offset + n < sizeof p->head) return PROG_OK;
        int status = start_applier(p);
        if (status) return status;
    }
    int error = size ? dx_patch_applier_feed(&p->applier, bytes, size) : 0;
    return error ? apply_failed(p, error) : PROG_OK;
}

/* All bytes have arrived: verify and commit. */
static int finish_transfer(pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    if (p->next != p->wire_size)
        return prog_fail(PROG_DAMAGED, "the transfer ended after %llu of %llu bytes",
                         (unsigned long long)p->next, (unsigned long long)p->wire_size);
    if (p->outcome == DXUP_PATCHED) {
        int error = p->applying ? dx_patch_applier_finish(&p->applier) : DX_PATCH_ETRUNCATED;
        if (error) return apply_failed(p, error);
    }
    dx_cas_blake3_final(&p->hasher, hash, sizeof hash);
    assert(p->dest_open);
    bool good = p->written == p->size && !memcmp(hash, p->hash, sizeof hash);
    if (!good && p->kept)
        return prog_fail(PROG_DAMAGED,
                         "what an earlier pull left is damaged; fetching everything again");
    if (!good)
        return prog_fail(PROG_DAMAGED,
                         "the content is not what the server announced; nothing changed");
    p->complete = true;
    return PROG_OK;
}

/* >>many connections --------------------------------------------------- */
/* The next bytes, in order; net/ranges.c has put them there. */
static int take_range(void *user, uint64_t offset, const uint8_t *bytes, size_t size)
{
    pull *p = user;
    assert(offset == p->next);
    p->next = offset + size;
    p->moved_ns = dx_reactor_now_ns(&p->reactor);
    return p->outcome == DXUP_PATCHED ? take_patch(p, offset, bytes, size)
                                      : write_target(p, bytes, size);
}

static void ranges_ended(void *user, int status)
{
    pull *p = user;
    fail(p, status ? status : finish_transfer(p));
}

static int start_ranges(pull *p)
{
    assert(!p->ranges && p->next < p->wire_size);
    unsigned connections = p->o->connections ? p->o->connections : 1;
    const dx_reactor_address *address = &p->addresses.list[p->address_at];
    dxup_ranges_desc desc = {&p->reactor, address,      p->o->name, p->o->path,
                             {0},         {0},          0,          p->wire_size,
                             p->next,     connections,  &p->sent,   &p->received,
                             take_range,  ranges_ended, p};
    memcpy(desc.target, p->hash, sizeof desc.target);
    memcpy(desc.have, p->have, sizeof desc.have);
    if (p->outcome == DXUP_PATCHED) desc.flags |= DXUP_RANGES;
    p->leaving = true; /* the server may have few */
    (void)dx_link_close(&p->links, p->id, DX_HBTP_STATUS_NONE, NULL);
    return dxup_ranges_start(&p->ranges, &desc);
}

/* Resume: hash the bytes that an earlier pull has left, and continue behind them. */
static int take_kept(pull *p)
{
    uint8_t buffer[PROG_IO_SIZE];
    assert(p->kind == PROG_FILE && !p->written);
    while (p->written < p->dest.kept) {
        int64_t n = os_read(p->dest.fd, buffer, sizeof buffer);
        if (n < 0) return prog_fail_errno("%s", p->dest.staging);
        if (n == 0) break; /* impossible under our lock; the final hash would reveal it */
        dx_cas_blake3_update(&p->hasher, buffer, (size_t)n);
        p->written += (uint64_t)n;
        prog_progress(p->o->name, p->written, p->size, false);
    }
    p->next = p->kept = p->written;
    return PROG_OK;
}

/* Open the staging file and resume, or start over. */
static int start_transfer(pull *p)
{
    assert(!p->dest_open);
    bool parts = (p->o->connections > 1 || p->has_staging) && !p->transfer &&
                 p->wire_size >= DXUP_RANGES_FROM;
    int status =
        versions_dest_open(&p->dest, p->o->path, p->kind, p->mode, keeps(p) ? p->hash : NULL);
    p->dest_open = !status;
    dx_cas_blake3_init(&p->hasher);
    if (!status && (!parts || p->dest.kept > p->size))
        status = p->kind == PROG_FILE ? versions_dest_restart(&p->dest) : 0;
    if (!status && p->dest.kept) status = take_kept(p);
    if (status || !parts) return status;
    if (p->next < p->wire_size) return start_ranges(p);
    ranges_ended(p, PROG_OK); /* interrupted just before its commit */
    return PROG_OK;
}

/* >>one connection ----------------------------------------------------- */
static int on_file_chunk(const dx_hbtp_context *context)
{
    pull *p = context->user;
    dx_hbtp_file_chunk chunk;
    if (p->done || p->ranges) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    int status = PROG_OK;
    if (error || !p->dest_open || chunk.transfer != p->transfer || chunk.offset != p->next ||
        chunk.data_size > p->wire_size - p->next || (!chunk.data_size && !chunk.final))
        status = prog_fail(PROG_DAMAGED, "a chunk of the transfer is wrong: %s",
                           dx_hbtp_error_name(error ? error : DX_HBTP_ECORRUPT));
    else if (p->outcome == DXUP_PATCHED)
        status = take_patch(p, chunk.offset, chunk.data, chunk.data_size);
    else if (chunk.data_size)
        status = write_target(p, chunk.data, chunk.data_size);
    p->moved_ns = dx_reactor_now_ns(&p->reactor);
    if (!status) p->next += chunk.data_size;
    if (!status && chunk.final) {
        status = finish_transfer(p);
        p->done = true;
        dx_reactor_stop(&p->reactor);
    }
    if (status) fail(p, status);
    return 0;
}

/* >>request and reply -------------------------------------------------- */
/* A request could not be written. */
static int cannot_ask(const pull *p, int error)
{
    if (error == DX_HBTP_ECANCELED)
        return prog_fail(PROG_NETWORK, "%s: the server ends; pull again later", p->o->address);
    return prog_fail(PROG_NETWORK, "%s: %s", p->o->address, dx_hbtp_error_name(error));
}

/* Print why the request failed. */
static int remote_failed(pull *p, const dx_hbtp_result *r)
{
    p->none = p->of && r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND;
    if (p->none) return PROG_NOT_FOUND;
    if (r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        return prog_fail(PROG_NOT_FOUND, "the server has no '%s'", p->o->name);
    if (r->error == DX_HBTP_EREMOTE)
        return prog_fail(PROG_NETWORK, "the server refused: %u %.*s", r->status,
                         (int)(r->payload_size < 200 ? r->payload_size : 200),
                         (const char *)r->payload);
    return prog_fail(PROG_NETWORK, "no answer: %s", dx_hbtp_error_name(r->error));
}

/* Where the name says which version, no other will do. */
static int refuse_another(const pull *p)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t asked;
    versions_split_version(p->o->name, name, &asked);
    if (!asked || p->version == asked) return PROG_OK;
    return prog_fail(PROG_DAMAGED, "the server sends version %llu in place of '%s'",
                     (unsigned long long)p->version, p->o->name);
}

/* A server with an older copy of the store, or another store, would roll us back. */
static int refuse_older(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    if (p->o->force || p->of || !p->have_kind) return PROG_OK;
    if (!versions_dest_recorded(&p->dest, p->o->name, &pulled, hash)) return PROG_OK;
    if (p->version < pulled)
        return prog_fail(
            PROG_REFUSED,
            "version %llu of '%s' was pulled to %s, but the server's latest is version %llu; "
            "--force rolls back",
            (unsigned long long)pulled, p->o->name, p->o->path, (unsigned long long)p->version);
    if (p->version == pulled && memcmp(hash, p->hash, sizeof hash) != 0)
        return prog_fail(
            PROG_REFUSED,
            "version %llu of '%s' was pulled to %s, and the server's version %llu is another one: "
            "it has another store; --force accepts it",
            (unsigned long long)pulled, p->o->name, p->o->path, (unsigned long long)p->version);
    return PROG_OK;
}

/* Record the version. "Unchanged" from a server with an older version number does not lower it. */
static int record_version(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    bool newest =
        !versions_dest_recorded(&p->dest, p->o->name, &pulled, hash) || p->version > pulled;
    if (p->outcome == DXUP_UNCHANGED && !newest) return PROG_OK;
    return versions_dest_record(&p->dest, p->o->name, p->version, p->hash);
}

/* The reply says that the destination is up to date. */
static int take_unchanged(pull *p, bool same)
{
    if (!same) return prog_fail(PROG_DAMAGED, "the server says unchanged, but the hashes differ");
    if (p->kind == PROG_FILE && os_set_mode(p->o->path, p->mode & 0777) < 0)
        return prog_fail_errno("%s", p->o->path);
    /* The staging file is useless now: opening and abandoning removes it. */
    if (p->has_staging && p->kind == PROG_FILE)
        p->dest_open = !versions_dest_open(&p->dest, p->o->path, p->kind, p->mode, NULL);
    p->done = true;
    dx_reactor_stop(&p->reactor);
    return PROG_OK;
}

/* The content is the same: may the rest have changed since the version that was pulled last? */
static bool is_another(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    if (!versions_dest_recorded(&p->dest, p->o->name, &pulled, hash)) return true;
    return pulled < p->version || (pulled > p->version && p->o->force);
}

/* Would the announced version take away what is nowhere else? */
static int refuse_losses(const pull *p, bool known_base)
{
    int status = refuse_older(p);
    if (!status) status = versions_dest_check(p->o->path, p->kind);
    if (status) return status;
    if (p->have_kind == PROG_TREE && !known_base && !p->o->force && prog_has_entries(p->o->path))
        return prog_fail(PROG_REFUSED, "%s was changed locally: it is no version of '%s' that the "
                         "server knows; --force replaces it", p->o->path, p->o->name);
    return PROG_OK;
}

static bool have_it(const pull *p)
{
    return p->have_kind && !memcmp(p->have, p->hash, sizeof p->hash) && p->have_size == p->size &&
           p->have_kind == p->kind;
}

/* Check the reply, and begin what it announces. */
static int take_reply(pull *p, const dx_hbtp_result *r)
{
    pull_reply_view v;
    int error = pull_reply_open_bare(&v, r->payload, r->payload_size, DXUP_WIRE_VERSION);
    if (error) return prog_fail(PROG_NETWORK, "malformed reply: field %s: %s",
                                pull_reply_fault(&v)->field, dx_teleport_error_name(error));
    p->outcome = pull_reply_get_outcome(&v);
    p->kind = pull_reply_get_kind(&v);
    p->version = pull_reply_get_version(&v);
    p->size = pull_reply_get_size(&v);
    p->wire_size = pull_reply_get_wire_size(&v);
    p->mode = pull_reply_get_mode(&v);
    p->transfer = pull_reply_get_transfer(&v);
    pull_reply_copy_hash(&v, 0, p->hash, sizeof p->hash);
    if (p->kind != PROG_FILE && p->kind != PROG_TREE)
        return prog_fail(PROG_NETWORK, "the reply names an unknown kind");
    int status = refuse_another(p);
    if (status) return status;
    if (p->outcome == DXUP_UNCHANGED) return take_unchanged(p, have_it(p));
    if (p->of && !pull_reply_get_known_base(&v)) p->have_size = 0; /* a patch of nothing */
    if (p->outcome == DXUP_PATCHED && !p->have_kind && !p->of)
        return prog_fail(PROG_DAMAGED, "the server sends a patch, but there is no base");
    if (p->outcome == DXUP_FULL && p->wire_size != p->size)
        return prog_fail(PROG_DAMAGED, "the reply contradicts itself");
    status = refuse_losses(p, pull_reply_get_known_base(&v));
    return status ? status : start_transfer(p);
}

/* The same of a snapshot; what is lacking is fetched afterwards. */
static int take_sync_reply(pull *p, const dx_hbtp_result *r)
{
    sync_reply_view v;
    int error = sync_reply_open_bare(&v, r->payload, r->payload_size, DXUP_WIRE_VERSION);
    if (error) return prog_fail(PROG_NETWORK, "malformed reply: field %s: %s",
                                sync_reply_fault(&v)->field, dx_teleport_error_name(error));
    p->outcome = sync_reply_get_outcome(&v);
    p->kind = PROG_TREE;
    p->version = sync_reply_get_version(&v);
    p->size = sync_reply_get_size(&v);
    p->mode = sync_reply_get_mode(&v);
    sync_reply_copy_hash(&v, 0, p->hash, sizeof p->hash);
    sync_reply_copy_root(&v, 0, p->root, sizeof p->root);
    if (p->outcome != DXUP_UNCHANGED && p->outcome != DXUP_SYNCED)
        return prog_fail(PROG_NETWORK, "the reply names an unknown outcome");
    int status = refuse_another(p);
    if (status) return status;
    if (p->outcome == DXUP_UNCHANGED && !have_it(p)) return take_unchanged(p, false);
    p->syncs = p->outcome == DXUP_SYNCED || is_another(p);
    if (!p->syncs) return take_unchanged(p, true);
    status = refuse_losses(p, sync_reply_get_known_base(&v));
    p->done = !status;
    dx_reactor_stop(&p->reactor);
    return status;
}

static int send_details_request(pull *p)
{
    uint8_t request[512];
    range_request_writer w;
    size_t size = 0;
    range_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    range_request_set_offset(&w, p->have_kind ? p->from : 0);
    range_request_set_target(&w, p->of->hash);
    range_request_set_have(&w, p->have);
    range_request_put_name(&w, p->o->name, strlen(p->o->name));
    int error = range_request_finish(&w, &size);
    if (error) return prog_fail(PROG_USAGE, "'%s': %s", p->o->name, dx_teleport_error_name(error));
    error = dx_hbtp_call(dx_link_session(&p->links, p->id), DXUP_RPC_DETAILS, request, size,
                         UINT64_MAX, NULL, NULL);
    return error ? cannot_ask(p, error) : PROG_OK;
}

static int send_request(pull *p)
{
    uint8_t request[512];
    pull_request_writer w;
    size_t size = 0;
    uint32_t flags = p->have_kind ? DXUP_HAVE : 0;
    if (p->o->connections > 1 || p->has_staging) flags |= DXUP_RANGES;
    pull_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    pull_request_set_flags(&w, flags);
    pull_request_set_have(&w, p->have);
    pull_request_put_name(&w, p->o->name, strlen(p->o->name));
    int error = pull_request_finish(&w, &size);
    if (error) return prog_fail(PROG_USAGE, "'%s': %s", p->o->name, dx_teleport_error_name(error));
    error = dx_hbtp_call(dx_link_session(&p->links, p->id), DXUP_RPC_PULL, request, size,
                         UINT64_MAX, NULL, NULL);
    return error ? cannot_ask(p, error) : PROG_OK;
}

/* A transfer over several connections is of the stream. */
static bool can_sync(const pull *p)
{
    return VERSIONS_HAS_SNAPSHOTS && !p->of && p->have_kind != PROG_FILE && p->o->connections <= 1;
}

/* Ask for a snapshot. A server that has none of that name, or is an older one, answers 404. */
static int send_sync_request(pull *p)
{
    uint8_t request[512];
    sync_request_writer w;
    size_t size = 0;
    p->asks_sync = true;
    sync_request_begin(&w, request, sizeof request, DX_TELEPORT_BARE);
    sync_request_set_flags(&w, p->have_kind ? DXUP_HAVE : 0);
    sync_request_set_have(&w, p->have);
    sync_request_put_name(&w, p->o->name, strlen(p->o->name));
    int error = sync_request_finish(&w, &size);
    if (error) return prog_fail(PROG_USAGE, "'%s': %s", p->o->name, dx_teleport_error_name(error));
    error = dx_hbtp_call(dx_link_session(&p->links, p->id), DXUP_RPC_SYNC, request, size,
                         UINT64_MAX, NULL, NULL);
    return error ? cannot_ask(p, error) : PROG_OK;
}

/* A file, or a server that knows no objects: patches and streams. */
static int pull_the_old_way(pull *p)
{
    p->asks_sync = false;
    end_fetch(p); /* nothing is */
    if (p->dest_open) versions_dest_abandon(&p->dest);
    p->dest_open = false;
    int status = p->have_kind == PROG_TREE ? look_at_destination(p, true) : PROG_OK;
    return status ? status : send_request(p);
}

static void on_result(dx_hbtp_session *session, const dx_hbtp_result *r)
{
    pull *p = session->desc.user;
    if (p->done || r->error == DX_HBTP_ECANCELED) return; /* on_event() says why */
    p->moved_ns = dx_reactor_now_ns(&p->reactor);
    int status;
    if (p->asks_sync && r->error == DX_HBTP_EREMOTE && r->status == DX_HBTP_STATUS_NOT_FOUND)
        status = pull_the_old_way(p);
    else if (r->error) status = remote_failed(p, r);
    else status = p->asks_sync ? take_sync_reply(p, r) : take_reply(p, r);
    if (status) fail(p, status);
}

/* >>connection --------------------------------------------------------- */
/* Print that the connection ended too early. */
static int lost(pull *p, const char *why)
{
    char done[32], total[32];
    if (p->dest_open && !p->seeds)
        return prog_fail(PROG_NETWORK, "%s after %s of %s bytes; %s is unchanged%s", why,
                         prog_count_text(p->next, done), prog_count_text(p->wire_size, total),
                         p->o->path, keeps(p) ? "; the next pull resumes here" : "");
    return prog_fail(PROG_NETWORK, "%s before its reply", why);
}

static void on_opened(dx_link *l, dx_link_id id)
{
    pull *p = l->desc.user;
    assert(id == p->id && !p->opened);
    p->opened = true;
    p->moved_ns = dx_reactor_now_ns(&p->reactor);
    int status;
    if (p->of) status = send_details_request(p);
    else if (can_sync(p)) status = send_sync_request(p);
    else status = send_request(p);
    if (status) fail(p, status);
}

/* The session has ended: by the server's Close, or by an error. One that ended with its connection
   is reported by on_closed(). */
static void on_event(dx_hbtp_session *session, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    pull *p = session->desc.user;
    if (event != DX_HBTP_EVENT_CLOSED || p->done || p->leaving) return;
    switch (session->error) {
    case DX_HBTP_OK:
        if (frame) fail(p, lost(p, "the server ended the transfer"));
        break;
    case DX_HBTP_ETIMEDOUT: fail(p, lost(p, "the server stopped answering")); break;
    case DX_HBTP_EVERSION:
        fail(p, prog_fail(PROG_NETWORK, "%s needs another version of the protocol than this dxup "
                          "speaks; install the same dxup on both sides", p->o->address));
        break;
    default:
        fail(p, prog_fail(PROG_NETWORK, "this is not a dxup server: %s",
                          dx_hbtp_error_name(session->error)));
    }
}

/* Connect to the first of the addresses, from address_at on, that a connection can begin to. */
static bool connect_on(pull *p)
{
    for (; p->address_at < p->addresses.count; p->address_at++)
        if (!dx_link_connect(&p->links, &p->addresses.list[p->address_at], &p->id)) return true;
    return false;
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    pull *p = l->desc.user;
    (void)id;
    if (p->done || p->leaving) return;
    if (!p->opened) {
        p->address_at++;
        if (!connect_on(p))
            fail(p, prog_fail(PROG_NETWORK, "%s: %s", p->o->address, os_error_text(-reason)));
    }
    else
        fail(p, lost(p, reason == -ECONNRESET ? "the server closed the connection"
                                              : os_error_text(-reason)));
}

static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    pull *p = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0 || p->done) return;
    if (p->ranges) dxup_ranges_tick(p->ranges);
    if (!p->done && p->moved_ns &&
        dx_reactor_now_ns(r) - p->moved_ns > (uint64_t)STALL_LIMIT_S * 1000000000)
        fail(p, lost(p, "the server sent no more content"));
    dx_reactor_timer(r, op, 1000000000);
}

/* >>command ------------------------------------------------------------ */
static int open_links(pull *p)
{
    dx_link_desc desc = {0};
    dx_hbtp_router_init(&p->router);
    dx_hbtp_router_set(&p->router, DX_HBTP_OP_FILE_CHUNK, on_file_chunk, p);
    desc.links_max = 2; /* the next address is tried while the one before is closed */
    desc.out_size = OUT_SIZE;
    desc.block_count = DXUP_INPUT_BLOCKS;
    desc.session.router = &p->router;
    desc.session.on_result = on_result;
    desc.session.on_event = on_event;
    desc.session.user = p;
    desc.session.payload_max = PAYLOAD_MAX;
    desc.session.outstanding_max = 2; /* Hello, and the request */
    desc.session.pending_max = 1;
    desc.session.keepalive_ns = (uint64_t)SILENCE_LIMIT_S / 2 * 1000000000;
    desc.opened = on_opened;
    desc.closed = on_closed;
    desc.user = p;
    return dxup_links_open(&p->links, &p->reactor, &desc, &p->links_memory);
}

/* Connect, and run the event loop until done. */
static int transfer(pull *p)
{
    dx_reactor_desc desc = {0};
    desc.pending_max = 32 + 5 * p->o->connections;
    desc.descriptors_max = 8 + p->o->connections;
    desc.queue_entries = 8;
    desc.buffer_count = DXUP_INPUT_BUFFERS;
    desc.buffer_size = DXUP_INPUT_SIZE;
    int status = dxup_loop_open(&p->reactor, &desc, p->o->backend, &p->reactor_memory);
    if (status) return status;
    dx_reactor_op_init(&p->timer_op, on_timer, p);
    status = open_links(p);
    if (!status && !connect_on(p)) {
        errno = dx_reactor_sys_errno(&p->reactor);
        prog_fail_errno("%s", p->o->address);
        status = PROG_NETWORK;
    } else if (!status) {
        dx_reactor_timer(&p->reactor, &p->timer_op, 1000000000);
        int error = dx_reactor_run(&p->reactor);
        if (error) status = prog_fail(PROG_SYSTEM, "the event loop: %s",
                                      dx_reactor_error_name(error));
    }
    p->done = true;
    dxup_ranges_end(p->ranges);
    dx_reactor_close(&p->reactor);
    p->sent = p->links.sent;
    p->received = p->links.received;
    dxup_ranges_free(p->ranges);
    return p->status ? p->status : status;
}

static void print_summary(const pull *p)
{
    static const char *const outcomes[] = {"unchanged", "patch", "full"};
    int outcome = p->outcome;
    char size[32], wire[32], hash[65], verified[65], name[PROG_NAME_SIZE_MAX + 1];
    uint64_t asked;
    uint64_t bytes = p->sent + p->received;
    if (outcome == DXUP_SYNCED)
        outcome = p->have_kind || p->o->seed ? DXUP_PATCHED : DXUP_FULL;
    double ms = (double)(prog_now_ns() - p->started_ns) / 1e6;
    prog_progress(NULL, 0, 0, true);
    prog_hash_text(p->hash, hash);
    /* Of a snapshot that was fetched the server only says the content's hash; where none was, the
       content's is what was verified, and it is not the one that `dxup log` shows. */
    const bool content = p->kind == PROG_TREE && !p->syncs;
    prog_hash_text(p->syncs ? p->root : p->hash, verified);
    versions_split_version(p->o->name, name, &asked); /* the version is said in any case */
    if (p->o->json) {
        prog_json j;
        prog_json_begin(&j);
        prog_json_text(&j, "name", name);
        prog_json_number(&j, "version", p->version);
        prog_json_text(&j, "path", p->o->path);
        prog_json_text(&j, "outcome", outcomes[outcome]);
        prog_json_number(&j, "sent", p->sent);
        prog_json_number(&j, "received", p->received);
        prog_json_number(&j, "kept", p->kept);
        prog_json_number(&j, "size", p->size);
        prog_json_hash(&j, "hash", p->hash);
        prog_json_number(&j, "time_us", (uint64_t)(ms * 1000));
        prog_json_end(&j);
    } else if (p->o->report) {
        prog_say("name=%s version=%llu outcome=%s wire=%llu size=%llu ms=%.1f rss_kb=%llu "
                 "kept=%llu hash=%s\n",
                 name, (unsigned long long)p->version, outcomes[outcome],
                 (unsigned long long)bytes, (unsigned long long)p->size, ms,
                 (unsigned long long)os_memory_peak() / 1024, (unsigned long long)p->kept, hash);
    } else if (!p->o->quiet) {
        prog_say("%s@%llu %s: %s bytes on the wire for %s, %.1f ms, %sBLAKE3 %.16s... verified\n",
                 name, (unsigned long long)p->version, outcomes[outcome],
                 prog_count_text(bytes, wire), prog_count_text(p->size, size), ms,
                 content ? "content's " : "", verified);
    }
}

static pull *open_pull(const dxup_options *o)
{
    pull *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->o = o;
    p->base_fd = -1;
    p->dest.fd = -1;
    p->dest.entry_fd = -1;
    p->started_ns = prog_now_ns();
    return p;
}

static void close_pull(pull *p)
{
    end_fetch(p);
    if (p->dest_open) versions_dest_abandon(&p->dest);
    if (p->base_fd >= 0) os_close(p->base_fd);
    prog_windows_close(&p->base);
    free(p->apply_memory);
    free(p->links_memory);
    free(p->reactor_memory);
    free(p);
}

/* Replace the destination. */
/* >>snapshots ---------------------------------------------------------- */
#ifndef VERSIONS_NO_SNAPSHOTS
/* Fetch into the store, and restore from there. */
static int fetch_into(pull *p, versions_store *s)
{
    uint8_t of_seed[PROG_HASH_SIZE];
    const versions_omit omit = leaves(p);
    const bool updates = p->have_kind == PROG_TREE;
    const char *seed = p->o->seed;
    int status = PROG_OK;
    if (updates) status = scan(p, NULL);
    else if (seed) status = versions_seeds_open(&p->seeds, s, seed, &omit, NULL, p->old, NULL);
    if (!status && updates && seed) status = versions_seeds_add(p->seeds, s, seed, &omit, of_seed);
    const dxup_sync_desc fetch = {.address = &p->addresses.list[p->address_at],
                                  .address_text = p->o->address, .name = p->o->name,
                                  .backend = p->o->backend, .store = s, .root = p->root,
                                  .old = p->seeds ? p->old : NULL, .limits = &p->o->limits,
                                  .sent = &p->sent,
                                  .received = &p->received};
    if (!status) status = dxup_sync_fetch(&fetch);
    if (!status && updates && !p->whole && !versions_seeds_linked(p->seeds))
        status = versions_scope_find(&p->part, s, p->old, p->root, &omit);
    if (!status) {
        const versions_tree_restore_desc restore = {.root = p->root, .dest = &p->dest, .omit = omit,
                                                .limits = p->o->limits,
                                                .report = versions_report_open(),
                                                .old_path = updates ? p->o->path : NULL,
                                                .old_root = p->old, .part = &p->part};
        status = versions_tree_restore(s, &restore);
        p->partial = versions_report_close(restore.report, p->o->path);
    }
    return status;
}

static int fetch_snapshot(pull *p)
{
    int status = begin_fetch(p);
    if (!status) status = fetch_into(p, p->fetched);
    if (status == PROG_DAMAGED && p->resumes)
        prog_warn("what an earlier pull left may be damaged; fetching everything again");
    p->complete = !status;
    return status;
}
#else
static int fetch_snapshot(pull *p)
{
    (void)p;
    return PROG_OK;
}
#endif

/* *again: the system does not let a part of the directory be replaced; then all of it is. */
static int replace(pull *p, bool *again)
{
    assert(p->complete && p->dest_open);
    if (p->base_fd >= 0) os_close(p->base_fd); /* Windows cannot replace an open file */
    p->base_fd = -1;
#ifndef VERSIONS_NO_SNAPSHOTS
    const versions_omit omit = leaves(p);
    if (*p->part.path) return versions_scope_commit(&p->part, &p->dest, &omit, again);
#endif
    (void)again;
    return versions_dest_commit(&p->dest);
}

/* >>details ------------------------------------------------------------ */
#ifndef VERSIONS_NO_SNAPSHOTS
/* Give the directory what the file of details says. live: the destination itself. */
static int settle(pull *p, const char *path, bool live)
{
    os_info info;
    int file = os_open(path);
    if (file < 0 || os_info_of(file, &info) < 0) return prog_fail_errno("%s", path);
    const void *bytes = info.size <= VERSIONS_DETAILS_MAX ? os_map(file, (size_t)info.size) : NULL;
    os_close(file);
    if (!bytes) return prog_fail(PROG_SYSTEM, "%s: cannot be read", path);
    versions_details_apply_desc desc = {.bytes = bytes, .size = (size_t)info.size, .live = live,
                             .folder = live ? os_open_folder(p->o->path) : p->dest.fd,
                             .omit = leaves(p), .report = versions_report_open()};
    int status = versions_details_apply(&desc);
    if (live) os_close(desc.folder);
    else if (!status) status = versions_dest_filled(&p->dest, desc.mode);
    p->partial = versions_report_close(desc.report, p->o->path);
    os_unmap(bytes, (size_t)info.size);
    return status;
}

/* Pull the details of what `of` has pulled into the file at path. *changed: they were others. */
static int pull_details(pull *of, const char *path, uint64_t base, bool *changed)
{
    dxup_options o = *of->o;
    o.path = path;
    o.connections = 0;
    pull *p = open_pull(&o);
    p->of = of;
    p->from = base;
    p->addresses = of->addresses;
    p->address_at = of->address_at;
    int status = look_at_destination(p, true);
    if (!status) status = versions_dest_find_staging(&p->dest, path, &p->has_staging);
    p->has_staging = false; /* what a killed pull left of them is not worth resuming */
    if (!status) status = transfer(p);
    if (!status && p->complete) status = replace(p, changed); /* a file: the whole */
    *changed = p->complete;
    of->sent += p->sent;
    of->received += p->received;
    if (p->none) {
        prog_warn("%s: the server has only the content of it: no times, links, attributes",
                  of->o->path);
        status = PROG_OK;
    }
    close_pull(p);
    return status;
}

/* Besides its content. What is there already is looked at only when the version is another. */
static int restore_details(pull *p)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t base;
    bool changed = false;
    const char *slash = strrchr(p->dest.path, '/');
    int front = slash ? (int)(slash + 1 - p->dest.path) : 0;
    snprintf(path, sizeof path, "%.*s.%s.dxup.details", front, p->dest.path,
             p->dest.path + front);
    if (!p->complete && !is_another(p)) return PROG_OK;
    if (!versions_dest_recorded(&p->dest, p->o->name, &base, hash)) base = 0;
    int status = pull_details(p, path, base, &changed);
    os_info info;
    if (status || (!p->complete && !changed) || os_look(path, false, &info) < 0) return status;
    return settle(p, path, !p->complete);
}
#else
static int restore_details(pull *p)
{
    (void)p;
    return PROG_OK;
}
#endif

/* What is there? */
static int look(pull *p)
{
    bool known = false;
    int status = PROG_OK;
    if (!can_sync(p)) return look_at_destination(p, true);
    if (!p->o->checksum) status = look_by_cache(p, &known);
    return status || known ? status : look_at_destination(p, false);
}

/* *again: what an earlier pull left was damaged, perhaps, and is removed; or a part of the directory
   cannot be replaced by itself. So try once more, and replace the whole. */
static int pull_once(const dxup_options *o, bool whole, bool *again)
{
    pull *p = open_pull(o);
    int status = PROG_OK;
    bool refused = false;
    p->whole = whole;
    status = dxup_addresses_find(&p->addresses, o->address, "the address");
    if (!status) status = look(p);
    if (!status) status = versions_dest_find_staging(&p->dest, o->path, &p->has_staging);
    if (!status) status = transfer(p);
    if (!status && p->o->seed && p->next && !p->syncs)
        prog_warn("--seed is of no use for what is not pulled as a directory over one connection");
    if (!status && p->syncs) status = fetch_snapshot(p);
    else if (!status && p->kind == PROG_TREE && !p->asks_sync) status = restore_details(p);
    if (!status && p->complete) status = replace(p, &refused);
    if (!status && p->complete && p->syncs) remember(p);
    if (!status) status = record_version(p);
    if (status && status != PROG_NETWORK && p->syncs && !refused) /* the cache may be the reason */
        (void)versions_dest_remove_beside(&p->dest, SEEN);
    end_fetch(p);
    /* What was fetched is of no use: it is there, or can never be, or the disk is full. */
    if (p->asks_sync && status != PROG_NETWORK && !refused) {
        int forgotten = versions_dest_remove_beside(&p->dest, FETCHED);
        if (!status) status = forgotten;
    }
    if (!status) print_summary(p);
    *again = refused || (status == PROG_DAMAGED && (p->kept || p->resumes));
    p->dest.keep = status == PROG_NETWORK && keeps(p) && p->next;
    if (!status) status = p->partial;
    close_pull(p);
    return status;
}

int dxup_pull(const dxup_options *o)
{
    bool again = false;
    os_info seed;
    if (o->seed && os_look(o->seed, true, &seed) < 0) return prog_fail_errno("%s", o->seed);
    if (o->seed && seed.kind != OS_FOLDER)
        return prog_fail(PROG_USAGE, "--seed %s: not a directory", o->seed);
    if (o->connections > CONNECTIONS_MAX)
        return prog_fail(PROG_USAGE, "pull uses at most %d connections", CONNECTIONS_MAX);
    int status = pull_once(o, false, &again);
    return again ? pull_once(o, true, &again) : status;
}
