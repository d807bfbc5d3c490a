/* The assembler: the events of the walk are delivered in order, hashed and compressed. Directories are
   assembled from them, children first, and new objects go into the store:

       A_DIR a      begins a level               levels:   root
       A_CHUNK      of a file in it, stored                 a      <- entries become pieces
       A_FILE f     ends the file: an entry of a
       A_DIR_END    ends the level: pieces, their list, and an entry of the root */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* >>old: the counterpart in the last version, for deltas ------------------------
   Searched only for new objects. A read error here is no failure. */
static bool old_entry(assembler *a, assembler_level *l, const uint8_t *name, size_t size,
                      dx_tree_entry *out)
{
    if (!l->has_old) return false;
    if (!l->listing.piece) versions_listing_open(&l->listing, a->store, &l->old);
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

/* The old entry of the directory in progress; those above it are found first. */
static assembler_level *old_dir(assembler *a)
{
    for (size_t i = 0; i < a->level_count; i++) {
        assembler_level *l = a->levels[i];
        if (l->asked) continue;
        l->asked = true;
        l->old = a->last;
        l->has_old = i ? old_entry(a, a->levels[i - 1], l->name, l->entry.name_size, &l->old) &&
                             l->old.type == DX_TREE_DIR
                       : a->has_last;
        if (!l->has_old) continue;
        const uint8_t *id;
        uint64_t start, size;
        versions_parts_open(&l->parts, a->store, &l->old); /* the first lookup finds its size */
        l->has_old = !versions_parts_find(&l->parts, 0, &id, &start, &size);
        if (!l->has_old) versions_parts_close(&l->parts);
    }
    return a->levels[a->level_count - 1];
}

static void forget_old_dir(assembler_level *l)
{
    if (l->listing.piece) versions_listing_close(&l->listing);
    if (l->has_old) versions_parts_close(&l->parts);
    memset(&l->listing, 0, sizeof l->listing);
    l->asked = l->has_old = l->at_end = l->has_next = false;
}

static void forget_old_file(assembler *a)
{
    if (a->has_old) versions_parts_close(&a->old_parts);
    a->has_old = false;
    a->first.size = 0;
    a->list_base = NULL;
    memset(&a->follow, 0, sizeof a->follow);
}

static int find_part(void *user, uint64_t offset, const uint8_t **id, uint64_t *start,
                     uint64_t *size)
{
    return versions_parts_find(user, offset, id, start, size);
}

static void find_old_file(assembler *a, const uint8_t *name, size_t size)
{
    forget_old_file(a);
    if (!a->has_last) return;
    a->has_old = old_entry(a, old_dir(a), name, size, &a->old) && a->old.type == DX_TREE_FILE &&
                 a->old.level <= DX_TREE_LEVELS_MAX;
    if (!a->has_old) return;
    versions_parts_open(&a->old_parts, a->store, &a->old);
    a->follow = (versions_follow){find_part, &a->old_parts, a->old.size, 0};
    if (a->old.level) a->list_base = a->old.id;
}

/* >>in order: the results of the batches ----------------------------------- */
static int put(void *user, const void *data, size_t size, uint8_t id[32])
{
    assembler *a = user;
    if (a->list_base) return versions_object_put_like(a->store, data, size, a->list_base, 0, id);
    return versions_object_put(a->store, data, size, id);
}

/* Store a piece; a new one as a delta of its counterpart. */
static int put_piece(assembler *a, assembler_level *l, uint8_t id[32])
{
    dx_cas_id is;
    const uint8_t *base = NULL;
    if (!a->has_last) return versions_object_put(a->store, l->piece.bytes, l->piece.size, id);
    dx_cas_hash(l->piece.bytes, l->piece.size, &is);
    memcpy(id, is.bytes, sizeof is.bytes);
    if (versions_object_has(a->store, id, l->piece.size))
        return versions_object_same(a->store, id, l->piece.bytes, l->piece.size);
    if (old_dir(a)->has_old) {
        versions_follow was = {find_part, &l->parts, l->old.level ? l->parts.size : 1, 0};
        base = versions_follow_base(&was, l->at, l->piece.size);
    }
    if (!base) return versions_object_put(a->store, l->piece.bytes, l->piece.size, id);
    return versions_object_put_like(a->store, l->piece.bytes, l->piece.size, base, 0, id);
}

static int bad_entry(const char *path, int error)
{
    return prog_fail(PROG_REFUSED, "%s: %s", path, dx_tree_error_name(error));
}

/* Store the piece, and note its id. */
static int end_piece(assembler *a, assembler_level *l)
{
    uint8_t id[32];
    int status = put_piece(a, l, id);
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

static int add_entry(assembler *a, const dx_tree_entry *e)
{
    assert(a->level_count > 0);
    assembler_level *l = a->levels[a->level_count - 1];
    int got = dx_tree_piece_add(&l->piece, e);
    if (got == DX_TREE_ENOSPACE) {
        int status = end_piece(a, l);
        if (status) return status;
        got = dx_tree_piece_add(&l->piece, e);
    }
    a->extended |= dx_tree_is_extended(e);
    if (got >= 0) {
        int error = dx_tree_add_up(&l->entry, e);
        if (error) got = error;
    }
    if (got < 0) return bad_entry("a directory", got);
    return got ? end_piece(a, l) : PROG_OK;
}

static void begin_level(assembler *a, const versions_batch *b, const versions_event *e)
{
    assert(a->level_count < sizeof a->levels / sizeof *a->levels);
    assembler_level *l = a->levels[a->level_count];
    if (!l) {
        l = a->levels[a->level_count] = prog_alloc(sizeof *l);
        memset(l, 0, sizeof *l);
        l->bytes = prog_alloc(DX_TREE_PIECE_SIZE_MAX);
    }
    a->level_count++;
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

static int end_level(assembler *a)
{
    assert(a->level_count > 0);
    assembler_level *l = a->levels[a->level_count - 1];
    uint64_t size;
    int status = l->piece.count || !l->count ? end_piece(a, l) : PROG_OK;
    if (status) return status;
    if (l->count == 1) {
        memcpy(l->entry.id, l->ids[0], 32);
        l->entry.level = 0;
    } else {
        dx_tree_list_begin(&a->list, a->list_memory, put, a);
        if (l->asked && l->has_old && l->old.level) a->list_base = l->old.id;
        for (size_t i = 0; !status && i < l->count; i++)
            status = dx_tree_list_add(&a->list, l->ids[i], l->sizes[i]);
        if (!status) status = dx_tree_list_finish(&a->list, l->entry.id, &l->entry.level, &size);
        a->list_base = NULL;
        if (status < 0) return bad_entry("a directory", status);
    }
    forget_old_dir(l);
    a->level_count--;
    return !status && a->level_count ? add_entry(a, &l->entry) : status;
}

/* The path of a file whose chunks are located; the walk has checked its length. */
static void locate_file(assembler *a, const uint8_t *name, size_t size)
{
    size_t at = 0;
    for (size_t i = 1; i < a->level_count; i++) {
        const dx_tree_entry *dir = &a->levels[i]->entry;
        assert(at + dir->name_size + size + 2 <= sizeof a->located);
        memcpy(a->located + at, a->levels[i]->name, dir->name_size);
        at += dir->name_size;
        a->located[at++] = '/';
    }
    memcpy(a->located + at, name, size);
    a->located[at + size] = 0;
}

/* Locate the chunks of a file that was not read: the store has its lists. */
static int locate_chunks(assembler *a, const dx_tree_entry *e)
{
    versions_parts parts;
    const uint8_t *id;
    uint64_t start, size = 0;
    int status = PROG_OK;
    versions_parts_open(&parts, a->store, e);
    for (uint64_t at = 0; !status && at < e->size; at += size) {
        status = versions_parts_find(&parts, at, &id, &start, &size);
        if (!status && size <= VERSIONS_CHUNK_MAX) /* larger ones are never one chunk */
            a->locates->locate(a->locates->locate_user, a->located, id, at, (uint32_t)size);
    }
    versions_parts_close(&parts);
    return status;
}

static int end_file(assembler *a, const versions_batch *b, const versions_event *e)
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
        int error = dx_tree_list_finish(&a->list, entry.id, &entry.level, &entry.size);
        if (error > 0) return error; /* an error of the store */
        if (error) return bad_entry("a file", error);
        a->list_size = 0;
        forget_old_file(a);
    }
    if (a->locates && e->kind == AN_ENTRY && e->type == DX_TREE_FILE &&
        e->level != DX_TREE_INLINE) {
        locate_file(a, b->text + e->text, e->name_size);
        int status = locate_chunks(a, &entry);
        if (status) return status;
    }
    if (e->type == DX_TREE_FILE) {
        memcpy(seen.id, entry.id, 32);
        if (e->level == DX_TREE_INLINE) memcpy(seen.id, entry.data, (size_t)e->size);
        seen.level = entry.level;
        if (a->seen) versions_stat_cache_add(a->seen, &seen, e->now_ns, e->fresh);
        a->out->files++;
        a->out->read_files += e->fresh;
        a->out->large_files += e->fresh && entry.level && entry.level != DX_TREE_INLINE;
        a->out->read_bytes += e->fresh ? e->size : 0;
    }
    if (e->link) versions_links_note(a->links, e->link - 1, &entry);
    return add_entry(a, &entry);
}

/* Add an unchanged entry of the last version. */
static int end_old(assembler *a, const versions_batch *b, const versions_event *e)
{
    dx_tree_entry entry;
    int error = dx_tree_read_entry(b->text + e->text, (size_t)e->size, &entry);
    return error < 0 ? bad_entry("a directory", error) : add_entry(a, &entry);
}

/* Add another name: everything except these shared properties is copied from the first name. */
static int end_name(assembler *a, const versions_batch *b, const versions_event *e)
{
    dx_tree_entry entry = a->links->list[e->link - 1].entry;
    assert(entry.type == e->type);
    entry.name = b->text + e->text;
    entry.name_size = e->name_size;
    entry.extra = b->text + e->extra;
    entry.extra_size = e->extra_size;
    a->out->files += e->type == DX_TREE_FILE;
    return add_entry(a, &entry);
}

/* Add chunks of zeros, for a hole in a file. */
static int add_zeros(assembler *a, const versions_event *e)
{
    int status = PROG_OK;
    if (!a->list_size) dx_tree_list_begin(&a->list, a->list_memory, put, a);
    a->list_size += e->size * e->chunk;
    for (uint64_t i = 0; !status && i < e->size; i++)
        status = dx_tree_list_add(&a->list, e->id, e->chunk);
    return status < 0 ? bad_entry("a file", status) : status;
}

/* Note the fingerprint of the first chunk of a file once another one follows: a file of one chunk is
   read in one piece, and would only take the room of others. */
static void note_first(assembler *a)
{
    if (a->first.size) versions_prints_note(a->prints, a->first.id, &a->first.print);
    a->first.size = 0;
}

static void note_print(assembler *a, const versions_chunk *c)
{
    if (a->list_size == c->size) { /* it is the first one */
        a->first = *c;
        return;
    }
    note_first(a);
    versions_prints_note(a->prints, c->id, &c->print);
}

static int add_same(assembler *a, const versions_event *e)
{
    if (!a->list_size) dx_tree_list_begin(&a->list, a->list_memory, put, a);
    note_first(a);
    versions_follow_note(&a->follow, e->id, a->list_size, e->size);
    a->list_size += e->size;
    a->out->same_bytes += e->size;
    a->out->chunks++;
    a->out->known_chunks++;
    const int status = dx_tree_list_add(&a->list, e->id, e->size);
    return status < 0 ? bad_entry("a file", status) : status;
}

static int add_chunk(assembler *a, const versions_batch *b, const versions_chunk *c)
{
    uint8_t id[32];
    int status = PROG_OK;
    if (!a->list_size) dx_tree_list_begin(&a->list, a->list_memory, put, a);
    uint64_t at = a->list_size;
    const uint8_t *base = NULL;
    a->out->chunks++;
    a->out->known_chunks += c->known;
    a->list_size += c->size;
    if (a->prints) note_print(a, c);
    if (a->locates)
        a->locates->locate(a->locates->locate_user, a->located, c->id, at, c->size);
    if (c->known) versions_follow_note(&a->follow, c->id, at, c->size);
    else base = versions_follow_base(&a->follow, at, c->size);
    if (c->known && !a->locates)
        status = versions_object_same(a->store, c->id, b->bytes + c->at, c->size);
    else if (!c->known && c->follows)
        status = versions_object_put_after(a->store, b->bytes + c->at, c->size, base, id);
    else if (!c->known)
        status = versions_object_put_packed(a->store, b->bytes + c->at, c->size,
                                            b->packed + c->packed_at, c->packed_size, base, id);
    if (!status) status = dx_tree_list_add(&a->list, c->id, c->size);
    return status < 0 ? bad_entry("a file", status) : status;
}

int versions_assembler_retire(void *user, versions_batch *b)
{
    assembler *a = user;
    int status = PROG_OK;
    for (size_t i = 0; !status && i < b->event_count; i++) {
        const versions_event *e = &b->events[i];
        switch (e->kind) {
        case A_DIR: begin_level(a, b, e); break;
        case A_DIR_END: status = end_level(a); break;
        case AN_OPEN:
            find_old_file(a, b->text + e->text, e->name_size);
            if (a->locates) locate_file(a, b->text + e->text, e->name_size);
            break;
        case A_CHUNK: status = add_chunk(a, b, &b->chunks[e->chunk]); break;
        case A_SAME: status = add_same(a, e); break;
        case ZEROS: status = add_zeros(a, e); break;
        case A_LATER: status = versions_publish_read_clone(a->walk, e->chunk, a); break;
        case A_NAME: status = end_name(a, b, e); break;
        case AN_OLD: status = end_old(a, b, e); break;
        case A_DROP:
            a->list_size = 0;
            forget_old_file(a);
            break;
        default: status = end_file(a, b, e); break;
        }
    }
    prog_progress(a->name, a->out->read_bytes, 0, false);
    return status;
}

void versions_assembler_lookup(void *user, versions_batch *b)
{
    assembler *a = user;
    for (size_t i = 0; i < b->chunk_count; i++)
        b->chunks[i].known =
            a->locates || versions_object_has(a->store, b->chunks[i].id, b->chunks[i].size);
}

/* >>whole -------------------------------------------------------------- */
void versions_assembler_open(assembler *a, const uint8_t *last)
{
    assert(a->store && a->out && a->links);
    a->has_last = last && !versions_snapshot_root(a->store, last, &a->last, NULL);
    a->list_memory = prog_alloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX);
}

int versions_assembler_put_root(assembler *a)
{
    uint8_t bytes[DX_TREE_SNAPSHOT_SIZE_MAX];
    size_t size = 0;
    assert(a->level_count == 0 && a->levels[0]);
    const dx_tree_entry *root = &a->levels[0]->entry;
    int error = dx_tree_write_snapshot(root, a->extended, bytes, sizeof bytes, &size);
    if (!error && root->size > UINT64_MAX / 2) error = DX_TREE_ETOOBIG;
    if (error) return bad_entry("the directory", error);
    a->out->size = root->size + VERSIONS_STREAM_EXTRA;
    return put(a, bytes, size, a->out->root);
}

void versions_assembler_close(assembler *a)
{
    forget_old_file(a);
    for (size_t i = 0; i < sizeof a->levels / sizeof *a->levels && a->levels[i]; i++) {
        forget_old_dir(a->levels[i]);
        free(a->levels[i]->bytes);
        free(a->levels[i]->ids);
        free(a->levels[i]->sizes);
        free(a->levels[i]);
    }
    free(a->list_memory);
}
#endif
