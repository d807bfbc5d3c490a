/* Makes a snapshot of a directory:

       scan.c          all cores list and stat directories ahead of the walk
       walk one thread, depth first, reads the files that changed (stat_cache.c), and what
                       files have besides content (metadata.c, links.c)
       batch.c         all cores hash and compress
       in order        results come back in the order of the walk: directories are assembled from
                       them, children first, and new objects go into the store */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "../store/follow.h"
#include "batch.h"
#include "metadata.h"
#include "scan.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TRIES = 3,      /* of a file that changes while it is read */
    LIVE_TRIES = 32 /* where after TRIES it must only not be replaced or get shorter */
};

/* versions_event.kind */
enum { A_DIR, A_DIR_END, AN_ENTRY, AN_OLD, AN_OPEN, A_CHUNK, ZEROS, A_FILE, A_NAME, A_DROP };

typedef struct level { /* a directory being put together */
    dx_tree_entry entry;
    dx_tree_piece piece;
    uint8_t      *bytes; /* of the piece */
    uint8_t     (*ids)[32];
    uint64_t        *sizes; /* of the pieces before */
    size_t           count, room;
    uint8_t          name[DX_TREE_NAME_MAX];
    uint8_t          extra[DX_TREE_EXTRAS_MAX];
    uint64_t         at;  /* bytes of the pieces before */
    bool             asked, has_old, at_end, has_next;
    dx_tree_entry    old, next; /* what it was in the last version; its entry that comes next */
    versions_listing listing;
    versions_parts   parts; /* of old */
} level;

typedef struct publisher {
    versions_store      *store;
    versions_stat_cache *seen; /* NULL: nothing is added to it */
    bool                 all_stored; /* what was seen is in the last version */
    const char          *name;
    const char          *top; /* path of the tree; all others are below it */
    versions_published  *out;
    versions_ring        ring;
    versions_ahead       ahead; /* of the walk */
    versions_batch      *batch;
    size_t               chunk_at; /* the chunk in progress begins here in the batch's bytes */
    dx_cas_chunker       chunker;
    versions_metadata    extras; /* of the entry of the walk */
    versions_links       links;
    bool                 link_sent; /* what p->link is the first name of */
    uint32_t             link;  /* of that entry: index + 1, or 0 */
    versions_omit        omit;
    bool                 extended; /* an entry is (dx_tree_is_extended) */
    uint8_t              zeros_id[32]; /* of the chunk that the chunker makes of zeros */
    uint32_t             zeros_size;   /* 0: not known yet */
    size_t               depth, path_size; /* of the walk */
    char                 path[PROG_PATH_SIZE_MAX + 1];
    level               *levels[PROG_DEPTH_MAX + 2];
    size_t               level_count;
    dx_tree_list         list;
    void                *list_memory;
    uint64_t             list_size; /* bytes of the file in progress */
    bool                 has_last;
    dx_tree_entry        last;      /* the root of the last version */
    bool                 has_old;   /* of the file in progress, as it was: */
    dx_tree_entry        old;
    versions_parts       old_parts;
    versions_follow      follow;
    const uint8_t       *list_base; /* of a list that is made, or NULL */
    const versions_tree_publish_desc *locates; /* chunks are only located; NULL: they are stored */
    const versions_tree_publish_desc *live;    /* the tree changes meanwhile; NULL: it must not */
    char              located[PROG_PATH_SIZE_MAX + DX_TREE_NAME_MAX + 2]; /* the file in progress */
} publisher;

/* >>old: what the last version has in the same place, for deltas --------------
   Only asked where something is new. That it cannot be read is no failure here. */
static bool old_entry(publisher *p, level *l, const uint8_t *name, size_t size, dx_tree_entry *out)
{
    if (!l->has_old) return false;
    if (!l->listing.piece) versions_listing_open(&l->listing, p->store, &l->old);
    while (!l->at_end) {
        if (!l->has_next) {
            if (versions_listing_next(&l->listing, &l->next, &l->at_end)) l->at_end = true;
            if (l->at_end) break;
            l->has_next = true;
        }
        size_t common = size < l->next.name_size ? size : l->next.name_size;
        int order = memcmp(l->next.name, name, common);
        if (!order && l->next.name_size == size) {
            *out = l->next;
            return true;
        }
        if (order > 0 || (!order && l->next.name_size > size)) return false;
        l->has_next = false;
    }
    return false;
}

/* The directory in progress as it was; those above it first. */
static level *old_dir(publisher *p)
{
    for (size_t i = 0; i < p->level_count; i++) {
        level *l = p->levels[i];
        if (l->asked) continue;
        l->asked = true;
        l->old = p->last;
        l->has_old = i ? old_entry(p, p->levels[i - 1], l->name, l->entry.name_size, &l->old) &&
                             l->old.type == DX_TREE_DIR
                       : p->has_last;
        if (!l->has_old) continue;
        const uint8_t *id;
        uint64_t start, size;
        versions_parts_open(&l->parts, p->store, &l->old); /* the first look says how large it is */
        l->has_old = !versions_parts_find(&l->parts, 0, &id, &start, &size);
        if (!l->has_old) versions_parts_close(&l->parts);
    }
    return p->levels[p->level_count - 1];
}

static void forget_old_dir(level *l)
{
    if (l->listing.piece) versions_listing_close(&l->listing);
    if (l->has_old) versions_parts_close(&l->parts);
    memset(&l->listing, 0, sizeof l->listing);
    l->asked = l->has_old = l->at_end = l->has_next = false;
}

static void forget_old_file(publisher *p)
{
    if (p->has_old) versions_parts_close(&p->old_parts);
    p->has_old = false;
    p->list_base = NULL;
    memset(&p->follow, 0, sizeof p->follow);
}

static int find_part(void *user, uint64_t offset, const uint8_t **id, uint64_t *start,
                     uint64_t *size)
{
    return versions_parts_find(user, offset, id, start, size);
}

static void find_old_file(publisher *p, const uint8_t *name, size_t size)
{
    forget_old_file(p);
    if (!p->has_last) return;
    p->has_old = old_entry(p, old_dir(p), name, size, &p->old) && p->old.type == DX_TREE_FILE &&
                 p->old.level <= DX_TREE_LEVELS_MAX;
    if (!p->has_old) return;
    versions_parts_open(&p->old_parts, p->store, &p->old);
    p->follow = (versions_follow){find_part, &p->old_parts, p->old.size, 0};
    if (p->old.level) p->list_base = p->old.id;
}

/* >>in order: what the batches bring back --------------------------------- */
static int put(void *user, const void *data, size_t size, uint8_t id[32])
{
    publisher *p = user;
    if (p->list_base) return versions_object_put_like(p->store, data, size, p->list_base, 0, id);
    return versions_object_put(p->store, data, size, id);
}

/* A piece: if it is new, as what differs from the one that was there. */
static int put_piece(publisher *p, level *l, uint8_t id[32])
{
    dx_cas_id is;
    const uint8_t *base = NULL;
    if (!p->has_last) return versions_object_put(p->store, l->piece.bytes, l->piece.size, id);
    dx_cas_hash(l->piece.bytes, l->piece.size, &is);
    memcpy(id, is.bytes, sizeof is.bytes);
    if (versions_object_has(p->store, id, l->piece.size)) return PROG_OK;
    if (old_dir(p)->has_old) {
        versions_follow was = {find_part, &l->parts, l->old.level ? l->parts.size : 1, 0};
        base = versions_follow_base(&was, l->at, l->piece.size);
    }
    if (!base) return versions_object_put(p->store, l->piece.bytes, l->piece.size, id);
    return versions_object_put_like(p->store, l->piece.bytes, l->piece.size, base, 0, id);
}

static int bad_entry(const char *path, int error)
{
    return prog_fail(PROG_REFUSED, "%s: %s", path, dx_tree_error_name(error));
}

/* Keep the piece and note it. */
static int end_piece(publisher *p, level *l)
{
    uint8_t id[32];
    int status = put_piece(p, l, id);
    if (status) return status;
    assert(l->count <= l->room);
    l->at += l->piece.size;
    if (l->count == l->room) {
        l->room = l->room * 2 + 16;
        l->ids = realloc(l->ids, l->room * sizeof *l->ids);
        l->sizes = realloc(l->sizes, l->room * sizeof *l->sizes);
        if (!l->ids || !l->sizes) abort();
    }
    memcpy(l->ids[l->count], id, 32);
    l->sizes[l->count++] = l->piece.size;
    dx_tree_piece_reset(&l->piece);
    return PROG_OK;
}

static int add_entry(publisher *p, const dx_tree_entry *e)
{
    assert(p->level_count > 0);
    level *l = p->levels[p->level_count - 1];
    int got = dx_tree_piece_add(&l->piece, e);
    if (got == DX_TREE_ENOSPACE) {
        int status = end_piece(p, l);
        if (status) return status;
        got = dx_tree_piece_add(&l->piece, e);
    }
    p->extended |= dx_tree_is_extended(e);
    if (got >= 0) {
        int error = dx_tree_add_up(&l->entry, e);
        if (error) got = error;
    }
    if (got < 0) return bad_entry("a directory", got);
    return got ? end_piece(p, l) : PROG_OK;
}

static void begin_level(publisher *p, const versions_batch *b, const versions_event *e)
{
    assert(p->level_count < sizeof p->levels / sizeof *p->levels);
    level *l = p->levels[p->level_count];
    if (!l) {
        l = p->levels[p->level_count] = prog_alloc(sizeof *l);
        memset(l, 0, sizeof *l);
        l->bytes = prog_alloc(DX_TREE_PIECE_SIZE_MAX);
    }
    p->level_count++;
    l->count = 0;
    l->at = 0;
    forget_old_dir(l);
    memset(&l->entry, 0, sizeof l->entry);
    l->entry.type = DX_TREE_DIR;
    l->entry.mode = e->mode;
    l->entry.mtime_ns = e->mtime_ns;
    l->entry.name = l->name;
    l->entry.name_size = e->name_size;
    memcpy(l->name, b->text + e->text, e->name_size);
    l->entry.extra = l->extra;
    l->entry.extra_size = e->extra_size;
    memcpy(l->extra, b->text + e->extra, e->extra_size);
    dx_tree_piece_begin(&l->piece, l->bytes, DX_TREE_PIECE_SIZE_MAX);
}

static int end_level(publisher *p)
{
    assert(p->level_count > 0);
    level *l = p->levels[p->level_count - 1];
    uint64_t size;
    int status = l->piece.count || !l->count ? end_piece(p, l) : PROG_OK;
    if (status) return status;
    if (l->count == 1) {
        memcpy(l->entry.id, l->ids[0], 32);
        l->entry.level = 0;
    } else {
        dx_tree_list_begin(&p->list, p->list_memory, put, p);
        if (l->asked && l->has_old && l->old.level) p->list_base = l->old.id;
        for (size_t i = 0; !status && i < l->count; i++)
            status = dx_tree_list_add(&p->list, l->ids[i], l->sizes[i]);
        if (!status) status = dx_tree_list_finish(&p->list, l->entry.id, &l->entry.level, &size);
        p->list_base = NULL;
        if (status < 0) return bad_entry("a directory", status);
    }
    forget_old_dir(l);
    p->level_count--;
    return !status && p->level_count ? add_entry(p, &l->entry) : status;
}

/* The path of a file whose chunks are to be located; the walk has seen that it is short enough. */
static void locate_file(publisher *p, const uint8_t *name, size_t size)
{
    size_t at = 0;
    for (size_t i = 1; i < p->level_count; i++) {
        const dx_tree_entry *dir = &p->levels[i]->entry;
        assert(at + dir->name_size + size + 2 <= sizeof p->located);
        memcpy(p->located + at, p->levels[i]->name, dir->name_size);
        at += dir->name_size;
        p->located[at++] = '/';
    }
    memcpy(p->located + at, name, size);
    p->located[at + size] = 0;
}

static int end_file(publisher *p, const versions_batch *b, const versions_event *e)
{
    dx_tree_entry entry = {0};
    versions_stat_file seen = {.device = e->device, .inode = e->inode, .size = e->size,
                           .mtime_ns = e->mtime_ns, .ctime_ns = e->ctime_ns, .level = e->level,
                           .plain = e->plain};
    entry.type = e->type;
    entry.level = e->level;
    entry.mode = e->mode;
    entry.name_size = e->name_size;
    entry.mtime_ns = e->mtime_ns;
    entry.size = e->size;
    entry.name = b->text + e->text;
    memcpy(entry.id, e->id, 32);
    entry.extra = b->text + e->extra;
    entry.extra_size = e->extra_size;
    if (e->level == DX_TREE_INLINE) entry.data = b->text + e->text + e->name_size;
    if (e->kind == A_FILE) {
        int error = dx_tree_list_finish(&p->list, entry.id, &entry.level, &entry.size);
        if (error > 0) return error; /* the store's */
        if (error) return bad_entry("a file", error);
        p->list_size = 0;
        forget_old_file(p);
    }
    if (p->locates && e->kind == AN_ENTRY && e->type == DX_TREE_FILE && !e->level) {
        locate_file(p, b->text + e->text, e->name_size); /* it was not read: it is one chunk */
        p->locates->locate(p->locates->locate_user, p->located, e->id, 0, (uint32_t)e->size);
    }
    if (e->type == DX_TREE_FILE) {
        memcpy(seen.id, entry.id, 32);
        if (e->level == DX_TREE_INLINE) memcpy(seen.id, entry.data, (size_t)e->size);
        seen.level = entry.level;
        if (p->seen) versions_stat_cache_add(p->seen, &seen, e->now_ns, e->fresh);
        p->out->files++;
        p->out->read_files += e->fresh;
        p->out->read_bytes += e->fresh ? e->size : 0;
    }
    if (e->link) versions_links_note(&p->links, e->link - 1, &entry);
    return add_entry(p, &entry);
}

/* What nothing has happened to, as the last version has it. */
static int end_old(publisher *p, const versions_batch *b, const versions_event *e)
{
    dx_tree_entry entry;
    int error = dx_tree_read_entry(b->text + e->text, (size_t)e->size, &entry);
    return error < 0 ? bad_entry("a directory", error) : add_entry(p, &entry);
}

/* Another name: all that the first one has, but for what that one says for both. */
static int end_name(publisher *p, const versions_batch *b, const versions_event *e)
{
    dx_tree_entry entry = p->links.list[e->link - 1].entry;
    assert(entry.type == e->type);
    entry.name = b->text + e->text;
    entry.name_size = e->name_size;
    entry.extra = b->text + e->extra;
    entry.extra_size = e->extra_size;
    p->out->files += e->type == DX_TREE_FILE;
    return add_entry(p, &entry);
}

/* Chunks of nothing but zeros, where a file has a hole. */
static int take_zeros(publisher *p, const versions_event *e)
{
    int status = PROG_OK;
    if (!p->list_size) dx_tree_list_begin(&p->list, p->list_memory, put, p);
    p->list_size += e->size * p->zeros_size;
    for (uint64_t i = 0; !status && i < e->size; i++)
        status = dx_tree_list_add(&p->list, p->zeros_id, p->zeros_size);
    return status < 0 ? bad_entry("a file", status) : status;
}

static int take_chunk(publisher *p, const versions_batch *b, const versions_chunk *c)
{
    uint8_t id[32];
    int status = PROG_OK;
    if (!p->list_size) dx_tree_list_begin(&p->list, p->list_memory, put, p);
    uint64_t at = p->list_size;
    const uint8_t *base = NULL;
    p->list_size += c->size;
    if (p->locates)
        p->locates->locate(p->locates->locate_user, p->located, c->id, at, c->size);
    if (c->known) versions_follow_note(&p->follow, c->id, at, c->size);
    else base = versions_follow_base(&p->follow, at, c->size);
    if (!c->known)
        status = versions_object_put_packed(p->store, b->bytes + c->at, c->size,
                                            b->packed + c->packed_at, c->packed_size, base, id);
    if (!status) status = dx_tree_list_add(&p->list, c->id, c->size);
    return status < 0 ? bad_entry("a file", status) : status;
}

static int retire(void *user, versions_batch *b)
{
    publisher *p = user;
    int status = PROG_OK;
    for (size_t i = 0; !status && i < b->event_count; i++) {
        const versions_event *e = &b->events[i];
        switch (e->kind) {
        case A_DIR: begin_level(p, b, e); break;
        case A_DIR_END: status = end_level(p); break;
        case AN_OPEN:
            find_old_file(p, b->text + e->text, e->name_size);
            if (p->locates) locate_file(p, b->text + e->text, e->name_size);
            break;
        case A_CHUNK: status = take_chunk(p, b, &b->chunks[e->chunk]); break;
        case ZEROS: status = take_zeros(p, e); break;
        case A_NAME: status = end_name(p, b, e); break;
        case AN_OLD: status = end_old(p, b, e); break;
        case A_DROP:
            p->list_size = 0;
            forget_old_file(p);
            break;
        default: status = end_file(p, b, e); break;
        }
    }
    prog_progress(p->name, p->out->read_bytes, 0, false);
    return status;
}

static void look_up(void *user, versions_batch *b)
{
    publisher *p = user;
    for (size_t i = 0; i < b->chunk_count; i++)
        b->chunks[i].known =
            p->locates || versions_object_has(p->store, b->chunks[i].id, b->chunks[i].size);
}

/* >>batches, filled ----------------------------------------------------- */
/* Of what has to be read by a certain time: is it over? */
static bool is_late(const publisher *p)
{
    return p->live && p->live->read && prog_now_ns() > p->live->until_ns;
}

/* The next batch; the chunk in progress moves there. */
static int switch_batch(publisher *p)
{
    versions_batch *before = p->batch;
    if (is_late(p)) return PROG_REFUSED;
    assert(p->chunk_at <= before->size);
    size_t kept = before->size - p->chunk_at;
    before->size = p->chunk_at;
    int status = versions_ring_submit(&p->ring);
    if (status == PROG_REFUSED) return status; /* nothing was handed over */
    p->batch = versions_ring_fill(&p->ring);
    /* The ring never empties the batch before while it fills this one: there are eight. */
    assert(p->batch != before && kept <= VERSIONS_BATCH_BYTES);
    memcpy(p->batch->bytes, before->bytes + p->chunk_at, kept);
    p->batch->size = kept;
    p->chunk_at = 0;
    return status;
}

/* Room for one event with so much text, and one chunk. */
static int need(publisher *p, size_t text)
{
    const versions_batch *b = p->batch;
    if (b->event_count < VERSIONS_BATCH_EVENTS && b->chunk_count < VERSIONS_BATCH_CHUNKS &&
        VERSIONS_BATCH_TEXT - b->text_size >= text)
        return PROG_OK;
    return switch_batch(p);
}

/* Its name, the data behind it, and of an entry what is known of it. */
static versions_event *new_event(publisher *p, int kind, int type, const char *name,
                                 const void *data, size_t size, const versions_found *f)
{
    versions_batch *b = p->batch;
    assert(b->event_count < VERSIONS_BATCH_EVENTS);
    assert(strlen(name) + size <= VERSIONS_BATCH_TEXT - b->text_size);
    versions_event *e = &b->events[b->event_count++];
    memset(e, 0, sizeof *e);
    e->kind = (uint8_t)kind;
    e->type = (uint8_t)type;
    e->text = (uint32_t)b->text_size;
    e->name_size = (uint16_t)strlen(name);
    memcpy(b->text + b->text_size, name, e->name_size);
    b->text_size += e->name_size;
    if (size) memcpy(b->text + b->text_size, data, size);
    b->text_size += size;
    if (!f) return e;
    e->mode = f->mode & 07777;
    e->size = f->file.size;
    e->device = f->file.device;
    e->inode = f->file.inode;
    e->mtime_ns = f->file.mtime_ns;
    e->ctime_ns = f->file.ctime_ns;
    e->plain = p->extras.plain;
    e->link = p->link;
    p->link_sent = true;
    e->extra = (uint32_t)b->text_size;
    e->extra_size = (uint16_t)p->extras.size;
    assert(p->extras.size <= VERSIONS_BATCH_TEXT - b->text_size);
    memcpy(b->text + b->text_size, p->extras.bytes, p->extras.size);
    b->text_size += p->extras.size;
    return e;
}

/* An entry that is complete, with its data. */
static int send_entry(publisher *p, int type, const versions_found *f, const void *data,
                      size_t size, int64_t now_ns)
{
    int status = need(p, DX_TREE_NAME_MAX + size + p->extras.size);
    if (status) return status;
    versions_event *e = new_event(p, AN_ENTRY, type, f->name, data, size, f);
    e->level = DX_TREE_INLINE;
    e->size = size;
    e->now_ns = now_ns;
    return PROG_OK;
}

static int send_chunk(publisher *p, size_t size)
{
    int status = need(p, 0);
    if (status || !size) return status;
    versions_batch *b = p->batch;
    assert(b->chunk_count < VERSIONS_BATCH_CHUNKS);
    assert(size <= VERSIONS_CHUNK_MAX && p->chunk_at + size <= b->size);
    versions_chunk *c = &b->chunks[b->chunk_count];
    memset(c, 0, sizeof *c);
    c->at = (uint32_t)p->chunk_at;
    c->size = (uint32_t)size;
    new_event(p, A_CHUNK, 0, "", NULL, 0, NULL)->chunk = (uint32_t)b->chunk_count++;
    p->chunk_at += size;
    return PROG_OK;
}

/* >>walk --------------------------------------------------------------- */
/* Cut what was read from scan on; what is left is the chunk in progress. */
static int cut(publisher *p, size_t scan)
{
    int status = PROG_OK;
    while (!status && scan < p->batch->size) {
        bool end = false;
        size_t n = dx_cas_chunker_next(&p->chunker, p->batch->bytes + scan,
                                       p->batch->size - scan, &end);
        scan += n;
        if (!end) continue;
        size_t behind = p->batch->size - scan;
        status = send_chunk(p, scan - p->chunk_at);
        scan = p->batch->size - behind; /* the batch may be another */
    }
    return status;
}

/* The chunk that zeros are cut into, whatever follows them. Without zeros_id it is not stored. */
static int make_zeros(publisher *p)
{
    bool end = false;
    if (p->zeros_size) return PROG_OK;
    uint8_t *zeros = prog_alloc(VERSIONS_CHUNK_MAX);
    memset(zeros, 0, VERSIONS_CHUNK_MAX);
    dx_cas_chunker_reset(&p->chunker);
    p->zeros_size = (uint32_t)dx_cas_chunker_next(&p->chunker, zeros, VERSIONS_CHUNK_MAX, &end);
    assert(end && p->zeros_size > 0);
    int status = versions_object_put(p->store, zeros, p->zeros_size, p->zeros_id);
    free(zeros);
    return status;
}

/* The next bytes of a hole of which `left` bytes are left, without reading them: whole chunks where
   one begins, else zeros for the chunk in progress. *n: how many. */
static int send_hole(publisher *p, uint64_t left, size_t room, bool small, uint64_t *n)
{
    versions_batch *b = p->batch;
    int status = small ? PROG_OK : make_zeros(p);
    if (status) return status;
    if (!small && p->chunk_at == b->size && left >= p->zeros_size) {
        uint64_t count = left / p->zeros_size;
        *n = count * p->zeros_size;
        status = need(p, 0);
        if (!status) new_event(p, ZEROS, 0, "", NULL, 0, NULL)->size = count;
        return status;
    }
    size_t at = b->size;
    *n = left < room ? left : room;
    memset(b->bytes + at, 0, (size_t)*n);
    b->size += (size_t)*n;
    return small ? PROG_OK : cut(p, at);
}

/* Read size bytes and one more, which is not there, into chunks; holes are not read. exact: not
   that one. *total = how many there were. */
static int read_chunks(publisher *p, int fd, uint64_t size, bool exact, uint64_t *total)
{
    dx_tree_holes holes;
    uint64_t hole = UINT64_MAX, hole_size = 0; /* the next one */
    const uint64_t last = size + !exact;
    int status = PROG_OK;
    bool small = size <= VERSIONS_CHUNK_MIN; /* one chunk whatever is in it */
    *total = 0;
    dx_tree_holes_begin(&holes, p->extras.map, p->extras.map_size, size);
    if (p->extras.map_size && !small) status = make_zeros(p);
    if (p->extras.map_size) dx_tree_holes_next(&holes, &hole, &hole_size);
    if (!small) dx_cas_chunker_reset(&p->chunker);
    while (!status && *total < last) {
        size_t room = VERSIONS_BATCH_BYTES - p->batch->size;
        uint64_t n = 0;
        if (room < VERSIONS_CHUNK_MIN + 1) {
            status = switch_batch(p);
            continue;
        }
        if (*total >= hole && *total - hole < hole_size) {
            status = send_hole(p, hole + hole_size - *total, room, small, &n);
            *total += n;
            if (*total == hole + hole_size &&
                dx_tree_holes_next(&holes, &hole, &hole_size) != 1) hole = UINT64_MAX;
            continue;
        }
        uint64_t end = hole == UINT64_MAX ? last : hole;
        size_t want = end - *total < room ? (size_t)(end - *total) : room, at = p->batch->size;
        int64_t got = os_read_at(fd, *total, p->batch->bytes + at, want);
        if (got < 0) return prog_fail_errno("%s: reading", p->path);
        *total += (uint64_t)got;
        p->batch->size += (size_t)got;
        if (!small) status = cut(p, at);
        if (!got || ((size_t)got < want && *total == size)) break;
    }
    if (!status && *total == size) status = send_chunk(p, p->batch->size - p->chunk_at);
    return status;
}

static int read_inline(publisher *p, int fd, const versions_found *f, bool exact, uint64_t *total,
                       int64_t now_ns)
{
    uint8_t bytes[DX_TREE_INLINE_MAX + 1];
    const size_t last = exact ? (size_t)f->file.size : sizeof bytes;
    size_t have = 0;
    int64_t n = 0;
    while (have < last && (n = os_read(fd, bytes + have, last - have)) > 0)
        have += (size_t)n;
    if (n < 0) return prog_fail_errno("%s: reading", p->path);
    *total = have;
    if (have != f->file.size) return PROG_OK;
    int status = send_entry(p, DX_TREE_FILE, f, bytes, have, now_ns);
    if (!status) p->batch->events[p->batch->event_count - 1].fresh = true;
    return status;
}

/* What was begun of a file that changed meanwhile counts for nothing. */
static int drop(publisher *p)
{
    assert(p->chunk_at <= p->batch->size);
    p->batch->size = p->chunk_at;
    int status = need(p, 0);
    if (!status) new_event(p, A_DROP, 0, "", NULL, 0, NULL);
    return status;
}

/* >>live: what is published changes meanwhile ------------------------------ */
/* What cannot be looked at, for that reason: is the entry left out? */
static bool is_left_out(publisher *p, int error)
{
    versions_losses *lost = &p->out->lost;
    if (!p->live) return false;
    if (error == ENOENT) return true; /* it has gone */
    if (error == EACCES || error == EPERM) {
        if (!lost->closed++) snprintf(lost->shut, sizeof lost->shut, "%s", p->path);
        return true;
    }
    /* it is another now than it was when its directory was listed */
    const bool other = error == ELOOP || error == ENOTDIR || error == EINVAL || error == ESTALE;
    p->out->missed += other;
    return other;
}

/* A store to a mapped file changes the file's time only when it reaches a clean page. So pages are
   cleaned before they are read: no later store goes unnoticed. Where the system does not have this
   call, or the file system ignores it, such stores are found once they are written back. */
static void clean_pages(const publisher *p, int fd)
{
#if defined(SYNC_FILE_RANGE_WRITE)
    if (p->live && !p->live->read) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
#else
    (void)p;
    (void)fd;
#endif
}

/* A file that changed during every read is published as the last one found it, if that is possible:
   it is the same file, and no shorter than it was. *f: as it is now. */
static bool is_torn(publisher *p, const versions_found *before, versions_found *f, uint64_t total)
{
    if (total != before->file.size || f->file.device != before->file.device ||
        f->file.inode != before->file.inode)
        return false;
    *f = *before;
    p->out->torn++;
    p->live->torn(p->live->torn_user, p->path);
    return true;
}

/* Read a file once. *changed: it was another before, or changed while it was read. last: it is
   published nevertheless, if that is possible. */
static int read_file(publisher *p, int dir, versions_found *f, bool last, bool *changed)
{
    struct stat st;
    versions_found before = *f;
    uint64_t total = 0;
    int64_t now_ns = prog_time_ns();
    *changed = false;
    int fd = openat(dir, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && is_left_out(p, errno)) return PROG_OK;
    if (fd < 0) return prog_fail_errno("%s", p->path);
    clean_pages(p, fd);
    bool in_line = f->file.size <= DX_TREE_INLINE_MAX;
    int status = need(p, DX_TREE_NAME_MAX + DX_TREE_INLINE_MAX + p->extras.size);
    if (!status && !in_line && (p->has_last || p->locates))
        new_event(p, AN_OPEN, DX_TREE_FILE, f->name, NULL, 0, NULL);
    size_t events = p->batch->event_count;
    if (!status && in_line) status = read_inline(p, fd, f, last, &total, now_ns);
    else if (!status) status = read_chunks(p, fd, f->file.size, last, &total);
    if (!status && fstat(fd, &st) < 0) status = prog_fail_errno("%s", p->path);
    close(fd);
    if (status) return status;
    versions_found_take(f, &st);
    *changed = total != before.file.size || !versions_found_same(&before, f);
    if (last && *changed && is_torn(p, &before, f, total)) {
        *changed = false;
        now_ns = INT64_MIN / 2; /* no cache may take it for what the file is */
        if (in_line) p->batch->events[p->batch->event_count - 1].now_ns = now_ns;
    }
    if (*changed && !in_line) return drop(p);
    if (*changed) {
        p->batch->event_count = events;
        p->link_sent = false;
    }
    if (in_line) return PROG_OK;
    status = need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (status) return status;
    versions_event *e = new_event(p, A_FILE, DX_TREE_FILE, f->name, NULL, 0, f);
    e->now_ns = now_ns;
    e->fresh = true;
    return PROG_OK;
}

/* An object with all its parts is there, as large as the file. */
static bool is_stored(publisher *p, const versions_stat_file *f)
{
    dx_tree_entry e = {0};
    versions_parts parts;
    const uint8_t *id;
    uint64_t start, size;
    bool good;
    if (p->all_stored) return true;
    if (f->level == DX_TREE_INLINE) return f->size <= DX_TREE_INLINE_MAX;
    if (!f->level) return p->locates || versions_object_has(p->store, f->id, f->size);
    e.type = DX_TREE_FILE;
    e.level = f->level;
    e.size = f->size;
    memcpy(e.id, f->id, 32);
    versions_parts_open(&parts, p->store, &e);
    good = versions_object_has(p->store, parts.id, 0);
    for (uint64_t at = 0; good && at < f->size; at = start + size)
        good = !versions_parts_find(&parts, at, &id, &start, &size) &&
               versions_object_has(p->store, id, size);
    versions_parts_close(&parts);
    return good;
}

/* From what was seen the last time. */
static int send_seen(publisher *p, const versions_found *f)
{
    if (f->file.level == DX_TREE_INLINE)
        return send_entry(p, DX_TREE_FILE, f, f->file.id, (size_t)f->file.size, f->now_ns);
    int status = need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (status) return status;
    versions_event *e = new_event(p, AN_ENTRY, DX_TREE_FILE, f->name, NULL, 0, f);
    memcpy(e->id, f->file.id, 32);
    e->level = f->file.level;
    e->now_ns = f->now_ns;
    return PROG_OK;
}

static int send_file(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    const int tries_max = p->live ? LIVE_TRIES : TRIES;
    bool changed = false;
    int status = versions_metadata_read(&p->extras, dir, f, folder);
    if (status) return status;
    if (f->seen && is_stored(p, &f->file)) return send_seen(p, f);
    for (int tries = 0; tries < tries_max; tries++) {
        if (tries)
            status = versions_metadata_read(&p->extras, dir, f, folder); /* they changed, too */
        if (!status) status = read_file(p, dir, f, tries >= TRIES, &changed);
        if (status || !changed) return status;
        if (!S_ISREG(f->mode)) break;
    }
    p->out->missed++;
    if (p->live) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->path);
}

static int send_link(publisher *p, int dir, const versions_found *f)
{
    char target[PROG_PATH_SIZE_MAX + 1];
    ssize_t n = readlinkat(dir, f->name, target, sizeof target);
    if (n < 0 && is_left_out(p, errno)) return PROG_OK;
    if (n < 0) return prog_fail_errno("%s", p->path);
    if (n == 0 || n > DX_TREE_TARGET_MAX)
        return prog_fail(PROG_REFUSED, "%s: the link's target is too long", p->path);
    return send_entry(p, DX_TREE_LINK, f, target, (size_t)n, 0);
}

static int type_of(mode_t mode)
{
    if (S_ISDIR(mode)) return DX_TREE_DIR;
    if (S_ISLNK(mode)) return DX_TREE_LINK;
    if (S_ISFIFO(mode)) return DX_TREE_FIFO;
    if (S_ISCHR(mode)) return DX_TREE_CHAR;
    return S_ISBLK(mode) ? DX_TREE_BLOCK : DX_TREE_FILE;
}

/* Another name of a file that was sent under its first one. */
static int send_name(publisher *p, const versions_found *f)
{
    const versions_first *first = &p->links.list[p->link - 1];
    int status = versions_metadata_read_link(&p->extras, p->path, first->path);
    if (!status) status = need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (!status) new_event(p, A_NAME, type_of(f->mode), f->name, NULL, 0, f);
    return status;
}

static void skip_socket(publisher *p)
{
    versions_losses *lost = &p->out->lost;
    if (!lost->sockets++) snprintf(lost->socket, sizeof lost->socket, "%s", p->path);
}

static int send_dir(publisher *p, versions_scan *scan, const versions_found *folder);

/* Anything but a directory, under its first name. */
static int send_first(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    bool special = !S_ISREG(f->mode) && !S_ISLNK(f->mode);
    if (S_ISREG(f->mode)) return send_file(p, dir, f, folder);
    int status = versions_metadata_read(&p->extras, dir, f, folder);
    if (status) return status;
    return special ? send_entry(p, type_of(f->mode), f, "", 0, 0) : send_link(p, dir, f);
}

/* Anything but a directory. */
static int send_content(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    const int type = type_of(f->mode);
    bool known = false;
    if (S_ISSOCK(f->mode)) {
        skip_socket(p);
        return PROG_OK;
    }
    if (type != DX_TREE_FILE && type != DX_TREE_LINK && p->omit.specials) return PROG_OK;
    p->out->linked |= f->linked;
    p->link = 0;
    if (!f->linked || p->omit.hard_links) return send_first(p, dir, f, folder);
    const size_t index = versions_links_find(&p->links, f, type, p->path, &known);
    if (known && p->links.list[index].type == type) {
        p->link = (uint32_t)index + 1;
        return send_name(p, f);
    }
    if (known) return send_first(p, dir, f, folder); /* its number was another's a moment ago */
    p->link = (uint32_t)index + 1;
    p->link_sent = false;
    const int status = send_first(p, dir, f, folder);
    if (!p->link_sent) p->links.list[index].lost = true;
    return status;
}

/* Go down to a name; leave_path() returns. */
static int enter_path(publisher *p, const char *name)
{
    size_t size = strlen(name);
    if (size + 1 > PROG_PATH_SIZE_MAX - p->path_size)
        return prog_fail(PROG_REFUSED, "%s/%s: the path is too long", p->path, name);
    if (p->path_size) p->path[p->path_size++] = '/';
    memcpy(p->path + p->path_size, name, size + 1);
    p->path_size += size;
    return PROG_OK;
}

static void leave_path(publisher *p, size_t before)
{
    assert(before <= p->path_size);
    p->path_size = before;
    p->path[before] = 0;
}

static const char *last_name(const publisher *p)
{
    const char *slash = strrchr(p->path, '/');
    return slash ? slash + 1 : p->path;
}

static int send_any(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    const size_t before = p->path_size;
    int status = enter_path(p, f->name);
    if (status) return status;
    if (f->error && is_left_out(p, f->error)) {
        status = PROG_OK;
    } else if (f->error) {
        errno = f->error;
        status = prog_fail_errno("%s", p->path);
    } else if (S_ISDIR(f->mode)) {
        status = send_dir(p, f->dir, folder);
    } else {
        status = send_content(p, dir, f, folder);
    }
    leave_path(p, before);
    return status;
}

/* Depth is limited to PROG_DEPTH_MAX, so this recursion is too. */
static int send_dir(publisher *p, versions_scan *scan, const versions_found *folder)
{
    size_t count = 0;
    int status = PROG_OK;
    if (p->depth++ >= PROG_DEPTH_MAX)
        status = prog_fail(PROG_REFUSED, "%s: more than %d directories deep", p->path,
                           PROG_DEPTH_MAX);
    if (!status && (errno = versions_ahead_enter(&p->ahead, scan)) != 0) {
        if (*p->path && is_left_out(p, errno)) {
            p->depth--;
            versions_ahead_leave(&p->ahead, scan);
            return PROG_OK;
        }
        status = prog_fail_errno("%s", *p->path ? p->path : p->top);
    }
    if (status) return status;
    const versions_found *self = versions_scan_self(scan);
    versions_found *list = versions_scan_list(scan, &count);
    versions_found here = *self;
    here.name = ""; /* looked up in itself, which is open */
    p->link = 0;
    status = versions_metadata_read(&p->extras, versions_scan_fd(scan), &here, folder);
    if (!status) status = need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (!status) new_event(p, A_DIR, DX_TREE_DIR, last_name(p), NULL, 0, self);
    for (size_t i = 0; !status && i < count; i++)
        status = send_any(p, versions_scan_fd(scan), &list[i], self);
    assert(p->depth > 0);
    p->depth--;
    if (!status) status = need(p, 0);
    if (status) return status; /* what is ahead of the walk is closed in the end */
    new_event(p, A_DIR_END, DX_TREE_DIR, "", NULL, 0, NULL);
    versions_ahead_leave(&p->ahead, scan);
    return PROG_OK;
}

/* >>changes: only what has changed is looked at -----------------------------
   The walk goes down to the changed paths, beside the last version. In each directory on the way the
   entries of the last version and the changed names are merged:

       last version   a     b     c/       e        b  did not change, nor did a: taken as they are
       changed              .     c/x  d            c  is entered, d is new, e stays
       directory            b     c/   d   e        what is gone (a, had it changed) has no entry */
typedef struct changes { /* some of desc.changed: those below the directory of p->path */
    const char *const *paths;
    size_t             count;
} changes;

static int send_changes(publisher *p, int fd, const dx_tree_entry *old,
                        const versions_found *folder, changes c);

static int send_old(publisher *p, const dx_tree_entry *e)
{
    uint8_t bytes[DX_TREE_ENTRY_MAX];
    size_t size = 0;
    int status = need(p, DX_TREE_ENTRY_MAX);
    if (status) return status;
    int error = dx_tree_write_entry(e, bytes, sizeof bytes, &size);
    if (error) return bad_entry(p->path, error);
    new_event(p, AN_OLD, 0, "", bytes, size, NULL)->size = size;
    return PROG_OK;
}

/* A directory that is new, or that something has happened to itself. */
static int send_whole(publisher *p, int fd, const versions_found *folder)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    memcpy(path, p->path, p->path_size + 1);
    int status = send_dir(
        p, versions_ahead_open(&p->ahead, fd, path, p->live->seen, p->live->rules, 1), folder);
    versions_ahead_close(&p->ahead);
    return status;
}

/* The directory at p->path, which is `name` in dir. old: what it was, or NULL. */
static int send_changed_dir(publisher *p, int dir, const char *name, const dx_tree_entry *old,
                            const versions_found *folder, changes c)
{
    const bool itself = strlen(c.paths[0]) == p->path_size;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && is_left_out(p, errno)) return PROG_OK;
    if (fd < 0) return prog_fail_errno("%s", p->path);
    if (itself || !old || old->type != DX_TREE_DIR) return send_whole(p, fd, folder);
    int status = send_changes(p, fd, old, folder, c);
    close(fd);
    return status;
}

/* One changed name, or one on the way to changed paths. */
static int send_changed(publisher *p, int dir, const char *name, const dx_tree_entry *old,
                        const versions_found *folder, changes c)
{
    struct stat st;
    versions_found f = {.name = name, .now_ns = prog_time_ns()};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return is_left_out(p, errno) ? PROG_OK : prog_fail_errno("%s", p->path);
    versions_found_take(&f, &st);
    if (!versions_filter_takes(p->live->rules, p->path, S_ISDIR(f.mode))) return PROG_OK;
    if (S_ISDIR(f.mode)) return send_changed_dir(p, dir, name, old, folder, c);
    f.seen = S_ISREG(f.mode) && !p->live->read && versions_stat_cache_find(p->live->seen, &f.file);
    return is_late(p) ? PROG_REFUSED : send_content(p, dir, &f, folder);
}

/* How many of the paths go through the first one's next name, which is copied. */
static size_t take_name(const publisher *p, changes c, char name[DX_TREE_NAME_MAX + 1])
{
    const size_t skip = p->path_size ? p->path_size + 1 : 0;
    const char *first = c.paths[0] + skip;
    const size_t size = strcspn(first, "/");
    size_t count = 1;
    assert(size && size <= DX_TREE_NAME_MAX);
    memcpy(name, first, size);
    name[size] = 0;
    while (count < c.count) {
        const char *other = c.paths[count] + skip;
        if (strcspn(other, "/") != size || memcmp(other, first, size) != 0) break;
        count++;
    }
    return count;
}

static int send_merged(publisher *p, int fd, versions_listing *l, const versions_found *here,
                       changes c)
{
    char name[DX_TREE_NAME_MAX + 1];
    dx_tree_entry e;
    bool has = false, end = false;
    const size_t before = p->path_size;
    int status = PROG_OK;
    while (!status) {
        if (!has && !end) status = versions_listing_next(l, &e, &end);
        has = !end;
        if (status || (!has && !c.count)) break;
        const size_t count = c.count ? take_name(p, c, name) : 0;
        int order = !has ? 1 : -1;
        if (has && count) order = dx_tree_compare_names(e.name, e.name_size, name, strlen(name));
        if (order < 0) {
            status = send_old(p, &e);
            has = false;
            continue;
        }
        status = enter_path(p, name);
        if (!status)
            status = send_changed(p, fd, name, order ? NULL : &e, here, (changes){c.paths, count});
        leave_path(p, before);
        c.paths += count;
        c.count -= count;
        has = has && order;
    }
    return status;
}

/* A directory of which only entries have changed: it is the open fd, and was old. It keeps its
   owner and attributes: when these change, its own path is a changed one. folder: what holds it. */
static int send_changes(publisher *p, int fd, const dx_tree_entry *old,
                        const versions_found *folder, changes c)
{
    struct stat st;
    versions_found self = {.name = ""};
    dx_tree_owner owner;
    versions_listing listing;
    if (p->depth >= PROG_DEPTH_MAX)
        return prog_fail(PROG_REFUSED, "%s: more than %d directories deep", p->path,
                         PROG_DEPTH_MAX);
    if (fstat(fd, &st) < 0) return prog_fail_errno("%s", p->path);
    versions_found_take(&self, &st);
    const bool own = dx_tree_read_owner(old, &owner);
    if (!p->omit.owner && (own || folder) &&
        ((own ? owner.user : folder->user) != self.user ||
         (own ? owner.group : folder->group) != self.group))
        p->out->needs_all = true;
    int status = need(p, DX_TREE_NAME_MAX + DX_TREE_EXTRAS_MAX);
    if (status) return status;
    p->link = 0;
    p->extras.size = old->extra_size;
    if (old->extra_size) memcpy(p->extras.bytes, old->extra, old->extra_size);
    new_event(p, A_DIR, DX_TREE_DIR, last_name(p), NULL, 0, &self);
    p->depth++;
    versions_listing_open(&listing, p->store, old);
    status = send_merged(p, fd, &listing, &self, c);
    versions_listing_close(&listing);
    p->depth--;
    if (!status) status = need(p, 0);
    if (!status) new_event(p, A_DIR_END, DX_TREE_DIR, "", NULL, 0, NULL);
    return status;
}

/* All of it, from the open directory on, which is closed. */
static int send_tree(publisher *p, int fd, const versions_tree_publish_desc *o)
{
    dx_tree_entry old;
    uint8_t extras[DX_TREE_EXTRAS_MAX];
    if (o->changed) {
        assert(p->live && o->last && o->changed_count);
        int status = versions_snapshot_root(p->store, o->last, &old, extras);
        if (!status)
            status = send_changes(p, fd, &old, NULL, (changes){o->changed, o->changed_count});
        close(fd);
        p->out->needs_all |= p->out->linked;
        return status;
    }
    int status = send_dir(p, versions_ahead_open(&p->ahead, fd, "", o->seen, o->rules, o->workers),
                          NULL);
    versions_ahead_close(&p->ahead);
    return status;
}

/* >>publish ------------------------------------------------------------ */
static int put_root(publisher *p)
{
    uint8_t bytes[DX_TREE_SNAPSHOT_SIZE_MAX];
    size_t size = 0;
    assert(p->level_count == 0 && p->levels[0]);
    const dx_tree_entry *root = &p->levels[0]->entry;
    int error = dx_tree_write_snapshot(root, p->extended, bytes, sizeof bytes, &size);
    if (!error && root->size > UINT64_MAX / 2) error = DX_TREE_ETOOBIG;
    if (error) return bad_entry("the directory", error);
    p->out->size = root->size + VERSIONS_STREAM_EXTRA;
    return put(p, bytes, size, p->out->root);
}

/* A version of the store has all its objects; a look at the first of them is for a store from which
   a release that knows no snapshots has collected them. */
static bool is_whole(versions_store *s, const uint8_t *root)
{
    dx_tree_entry e;
    return versions_object_has(s, root, 0) && !versions_snapshot_root(s, root, &e, NULL) &&
           versions_object_has(s, e.id, 0);
}

int versions_tree_publish(versions_store *s, const versions_tree_publish_desc *o,
                          versions_published *out)
{
    dx_cas_chunker_desc desc = {.size_min = VERSIONS_CHUNK_MIN, .size_avg = VERSIONS_CHUNK_AVG,
                                .size_max = VERSIONS_CHUNK_MAX};
    int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) return prog_fail_errno("%s", o->path);
    publisher *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    memset(out, 0, sizeof *out);
    p->store = s;
    p->seen = o->changed ? NULL : o->seen;
    p->all_stored = o->last && (o->changed || versions_stat_cache_is_of(o->seen, o->last)) &&
                    is_whole(s, o->last);
    p->has_last = o->last && !versions_snapshot_root(s, o->last, &p->last, NULL);
    p->name = o->name;
    p->top = o->path;
    p->out = out;
    p->omit = o->omit;
    p->locates = o->locate ? o : NULL;
    p->live = o->torn ? o : NULL;
    versions_metadata_open(&p->extras, s, &p->omit, &out->lost);
    p->ring.look_up = look_up;
    p->ring.retire = retire;
    p->ring.user = p;
    p->list_memory = prog_alloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX);
    dx_cas_chunker_init(&p->chunker, &desc);
    versions_ring_open(&p->ring, o->workers, o->read ? o->held_max : 0);
    p->batch = versions_ring_fill(&p->ring);
    int status = send_tree(p, fd, o);
    if (!status) status = versions_ring_submit(&p->ring);
    if (o->read) o->read(o->read_user, status);
    if (!status) status = versions_ring_drain(&p->ring);
    if (!status) status = put_root(p);
    versions_ring_close(&p->ring);
    forget_old_file(p);
    versions_metadata_close(&p->extras);
    versions_links_free(&p->links);
    prog_progress(NULL, 0, 0, true);
    for (size_t i = 0; i < sizeof p->levels / sizeof *p->levels && p->levels[i]; i++) {
        forget_old_dir(p->levels[i]);
        free(p->levels[i]->bytes);
        free(p->levels[i]->ids);
        free(p->levels[i]->sizes);
        free(p->levels[i]);
    }
    free(p->list_memory);
    free(p);
    return status;
}
#endif
