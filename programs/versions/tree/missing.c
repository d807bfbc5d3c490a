/* Walks a snapshot that is still incomplete, depth first, which keeps the stack small:

       stack    | piece of / | list of a file | chunk | chunk | <- next
       asked chunk, piece, chunk, ...        (wait for versions_missing_store())

   Objects that the store has are visited at once; missing ones are handed out, and visited when they
   arrive. Each piece and list is visited once, however many directories contain it, so the work is
   bounded by the size of a hostile snapshot. The entry of the old snapshot at the same path goes
   along with each directory and file: its parts are suggested as bases. In a file, those are suggested
   that are as far from a known chunk as the missing one is:

       old    | a | b | c |   d   | e |
       new    | x | a | b | c |  D  | e |         x moved everything: d is the base for D

   An added file has no such entry. Where patches of files are requested, it waits until all directories
   are there: then it is known which files have vanished, and renames.h finds the one that it was. */
#include "missing.h"
#include "places.h"
#include "renames.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    STACK_MAX = 1 << 20, /* only a hostile snapshot needs more */
    ASKED_MAX = 1024,
    TRIES_MAX = 2, /* requests for a file as a whole */
    PIECE_GUESS = 4096
};

typedef enum item_kind { A_SNAPSHOT, A_DIR_PART, A_FILE_PART, AN_EXTRA } item_kind;

typedef struct origin { /* the counterpart in the old snapshot */
    bool    known;
    uint8_t level;
    uint8_t id[32];
    uint64_t size, count;
} origin;

typedef struct item {
    uint8_t  kind;
    uint8_t  level; /* 0: a part; otherwise a list of parts */
    uint16_t depth; /* of directories */
    bool     used;  /* in asked: the slot is taken */
    bool     top;   /* all of a file, which nobody has chosen or refused as a whole yet */
    bool     added; /* all of a file that may have been renamed */
    bool     renamed; /* old is another file, and only a base for a patch of the whole */
    uint8_t  held;  /* a part of a file that was chosen: its slot + 1; 0: none */
    uint8_t  id[32];
    uint64_t start; /* offset in the file or directory */
    uint64_t size;  /* of everything below; DX_TREE_ANY_SIZE: unknown */
    uint64_t dir_count, dir_size; /* for a directory: as declared by its entry */
    uint64_t before, after; /* for a chunk: how far the known chunks around it are moved in the old file,
                               or may be, modulo 2^64 */
    origin   old;
} item;

/* A file that was chosen as a whole. */
typedef struct held_file {
    enum { FREE, GATHERING, READY, ASKED } state;
    versions_missing_whole whole;
    uint64_t seen;   /* bytes of the file whose chunks were visited */
    unsigned tries;
    item    *chunks; /* the missing ones */
    size_t   count, room;
} held_file;

struct versions_missing {
    versions_store *store;
    versions_limits limits;
    uint64_t        bytes_left;  /* content declared by the root that has not arrived yet */
    item           *stack;
    size_t          count, room;
    item            asked[ASKED_MAX];
    uint32_t        asked_count;
    versions_known  visited;
    uint8_t        *bytes;       /* of an object that the store has */
    versions_parts  parts;       /* of parts_of, a file or directory of the old snapshot */
    uint8_t         parts_of[32];
    bool            parts_open;
    versions_places *places;     /* of places_of, an old file; NULL: not known */
    uint8_t         places_of[32];
    uint64_t        moved;       /* the last known chunk of that file, modulo 2^64 */
    const versions_missing_file *file; /* NULL: a snapshot */
    bool          (*choose)(void *user, const versions_missing_whole *whole); /* NULL: none */
    void           *choose_user;
    uint64_t        lacking_min;
    held_file       held[VERSIONS_MISSING_WHOLES];
    unsigned        held_count;  /* slots in use, */
    size_t          held_chunks; /* and their chunks */
    uint8_t         root[32], old_root[32];
    bool            has_old;     /* old_root is a snapshot */
    bool            trusts;      /* all of it is in the store */
    bool            based[ASKED_MAX]; /* then: the first base of each asked object */
    uint8_t         bases[ASKED_MAX][32];
    item           *added;       /* files that wait until all directories are there */
    size_t          added_count, added_room;
    versions_renames *renames;   /* NULL: not needed yet */
};

static int malformed(int error)
{
    return prog_fail(PROG_DAMAGED, "the server's snapshot is malformed: %s",
                     dx_tree_error_name(error));
}

/* >>stack -------------------------------------------------------------- */
static item *push(versions_missing *l, item_kind kind, const uint8_t id[32])
{
    if (l->count == l->room) {
        l->room = 2 * l->room + 256;
        l->stack = realloc(l->stack, l->room * sizeof *l->stack);
        if (!l->stack) abort();
    }
    item *i = &l->stack[l->count++];
    memset(i, 0, sizeof *i);
    i->kind = (uint8_t)kind;
    memcpy(i->id, id, sizeof i->id);
    return i;
}

/* Reverse the items pushed since, so that they are visited in order. */
static void turn_over(versions_missing *l, size_t since)
{
    for (size_t a = since, b = l->count; a + 1 < b; a++, b--) {
        item swapped = l->stack[a];
        l->stack[a] = l->stack[b - 1];
        l->stack[b - 1] = swapped;
    }
}

static origin origin_of(const dx_tree_entry *e)
{
    origin o = {.known = e->level <= DX_TREE_LEVELS_MAX, .level = e->level, .size = e->size,
                .count = e->count};
    memcpy(o.id, e->id, sizeof o.id);
    return o;
}

/* Push the content of a file or directory, and the objects of its metadata. */
static void push_entry(versions_missing *l, const dx_tree_entry *e, unsigned depth,
                       const origin *old)
{
    const int kinds[] = {DX_TREE_HOLES, DX_TREE_XATTRS};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint32_t size = 0;
        const uint8_t *id = dx_tree_read_object(e, kinds[i], &size);
        if (id) push(l, AN_EXTRA, id)->size = size;
    }
    if (e->level == DX_TREE_INLINE) return;
    if (l->trusts && old->known && old->level == e->level && old->size == e->size &&
        old->count == e->count && !memcmp(old->id, e->id, sizeof old->id))
        return;
    item *i = push(l, e->type == DX_TREE_DIR ? A_DIR_PART : A_FILE_PART, e->id);
    i->level = e->level;
    i->depth = (uint16_t)depth;
    i->size = e->type == DX_TREE_DIR ? DX_TREE_ANY_SIZE : e->size;
    i->dir_count = e->count;
    i->dir_size = e->size;
    i->old = *old;
    i->top = e->type == DX_TREE_FILE && old->known;
    i->added = e->type == DX_TREE_FILE && !old->known && l->has_old && l->choose &&
               e->size >= l->lacking_min;
}

/* >>moves -------------------------------------------------------------- */
/* The table of the old file, for a list of chunks of the new one. False: there is none. */
static bool has_places(versions_missing *l, const item *of)
{
    if (!of->old.known || !of->old.level || of->kind != A_FILE_PART || of->level != 1) return false;
    if (memcmp(l->places_of, of->old.id, sizeof l->places_of) != 0) {
        dx_tree_entry e = {.type = DX_TREE_FILE, .level = of->old.level, .size = of->old.size};
        memcpy(e.id, of->old.id, sizeof e.id);
        memcpy(l->places_of, of->old.id, sizeof l->places_of);
        versions_places_close(l->places);
        l->places = versions_places_open(l->store, &e);
        l->moved = 0;
    }
    return l->places != NULL;
}

/* No chunk after this one is known: programs grow everywhere, so its part of the whole difference in size
   is a fair guess. */
static uint64_t guess_move(const item *i)
{
    const double change = (double)i->old.size - (double)i->dir_size;
    const double guess = change * ((double)i->start / (double)i->dir_size);
    return guess > -0x1p62 && guess < 0x1p62 ? (uint64_t)(int64_t)guess : 0; /* not of any real file */
}

/* The chunks of a list were pushed since, in order: note how far the known ones around each are moved. */
static void note_moves(versions_missing *l, size_t since)
{
    uint64_t start, next = 0;
    bool any = false;
    for (size_t k = since; k < l->count; k++) {
        item *i = &l->stack[k];
        if (versions_places_find(l->places, i->id, &start)) l->moved = start - i->start;
        i->before = l->moved;
    }
    for (size_t k = l->count; k-- > since;) {
        item *i = &l->stack[k];
        if (versions_places_find(l->places, i->id, &start)) {
            next = start - i->start;
            any = true;
        }
        i->after = any ? next : guess_move(i);
    }
}

/* >>visit: the objects that an object refers to ------------------------------ */
static int visit_list(versions_missing *l, const item *of, const uint8_t *bytes, size_t size)
{
    dx_tree_list_view view;
    uint64_t start = of->start, under;
    const size_t since = l->count;
    int error = dx_tree_list_open(&view, bytes, size, of->level, of->size);
    if (error) return malformed(error);
    for (uint32_t c = 0; c < view.count; c++) {
        const uint8_t *id = dx_tree_list_child(&view, c, &under);
        item *i = push(l, of->kind, id);
        i->level = of->level - 1;
        i->depth = of->depth;
        i->start = start;
        i->size = under;
        i->dir_count = of->dir_count;
        i->dir_size = of->dir_size;
        i->old = of->old;
        i->held = of->held;
        start += under;
    }
    if (has_places(l, of)) note_moves(l, since);
    return PROG_OK;
}

static int visit_piece(versions_missing *l, const item *of, const uint8_t *bytes, size_t size)
{
    dx_tree_reader reader;
    dx_tree_entry e, at = {0}, sum = {0};
    versions_listing old;
    bool end = !of->old.known;
    int got;
    if (size > DX_TREE_PIECE_SIZE_MAX || of->depth > PROG_DEPTH_MAX)
        return malformed(DX_TREE_ETOOBIG);
    if (!end) {
        dx_tree_entry dir = {.type = DX_TREE_DIR, .level = of->old.level, .size = of->old.size,
                             .count = of->old.count};
        memcpy(dir.id, of->old.id, sizeof dir.id);
        versions_listing_open(&old, l->store, &dir);
    }
    dx_tree_reader_begin(&reader);
    dx_tree_reader_feed(&reader, bytes, size);
    while ((got = dx_tree_reader_next(&reader, &e)) == 1) {
        got = dx_tree_add_up(&sum, &e);
        if (!got && (sum.count > of->dir_count || sum.size > of->dir_size)) got = DX_TREE_ESUM;
        if (got) break;
        origin was = {.known = false};
        if (e.level != DX_TREE_INLINE && versions_listing_find(&old, &at, &end, &e) &&
            at.type == e.type)
            was = origin_of(&at);
        push_entry(l, &e, of->depth + 1u, &was);
    }
    if (of->old.known) versions_listing_close(&old);
    return got < 0 ? malformed(got) : PROG_OK;
}

static int visit_snapshot(versions_missing *l, const item *of, const uint8_t *bytes, size_t size)
{
    dx_tree_entry root;
    int error = dx_tree_read_snapshot(bytes, size, &root);
    if (error) return malformed(error);
    int status = versions_limits_check(&l->limits, &root);
    if (status) return status;
    l->bytes_left = root.size;
    push_entry(l, &root, 0, &of->old);
    return PROG_OK;
}

static int visit(versions_missing *l, const item *of, const uint8_t *bytes, size_t size)
{
    size_t since = l->count;
    int status = PROG_OK;
    if (of->kind == A_SNAPSHOT) status = visit_snapshot(l, of, bytes, size);
    else if (of->level) status = visit_list(l, of, bytes, size);
    else if (of->kind == A_DIR_PART) status = visit_piece(l, of, bytes, size);
    turn_over(l, since);
    if (!status && l->count + l->held_chunks + l->added_count > STACK_MAX) return malformed(DX_TREE_ETOOBIG);
    return status;
}

/* Does it refer to other objects? Then it must be visited even if the store has it. */
static bool leads(const item *i)
{
    return i->kind == A_SNAPSHOT || i->level || i->kind == A_DIR_PART;
}

/* Was it not visited yet? The same bytes of another kind or level count as another object. */
static bool is_new(versions_missing *l, const item *i)
{
    uint8_t key[32];
    memcpy(key, i->id, sizeof key);
    key[31] ^= (uint8_t)(i->level | i->kind << 4);
    return versions_known_put(&l->visited, key);
}

/* >>bases -------------------------------------------------------------- */
static void add_base(versions_missing *l, versions_missing_object *out, const uint8_t *id)
{
    if (out->base_count == VERSIONS_MISSING_BASES_MAX || !versions_object_has(l->store, id, 0))
        return;
    for (unsigned i = 0; i < out->base_count; i++)
        if (!memcmp(out->bases[i], id, 32)) return;
    memcpy(out->bases[out->base_count++], id, 32);
}

/* Find the list at the same position in the old file or directory. */
static void find_list(versions_missing *l, const item *i, versions_missing_object *out)
{
    uint8_t id[32];
    const bool same = !memcmp(l->places_of, i->old.id, sizeof l->places_of);
    uint64_t total = DX_TREE_ANY_SIZE, at = i->start + (same ? l->moved : 0);
    dx_tree_list_view view;
    size_t size;
    memcpy(id, i->old.id, sizeof id);
    for (unsigned level = i->old.level; level > i->level; level--) {
        const uint8_t *child = NULL;
        if (versions_object_get(l->store, id, l->bytes, VERSIONS_OBJECT_MAX, &size) ||
            dx_tree_list_open(&view, l->bytes, size, level, total))
            return;
        for (uint32_t c = 0; c < view.count && (!c || at >= total); c++) {
            if (c) at -= total;
            child = dx_tree_list_child(&view, c, &total);
        }
        memcpy(id, child, sizeof id);
    }
    if (i->old.level >= i->level) add_base(l, out, id);
}

/* Find the parts at the same position in the old file or directory. */
static void find_bases(versions_missing *l, const item *i, versions_missing_object *out)
{
    const uint8_t *id;
    uint64_t start, size, last = i->start;
    if (!i->old.known || i->kind == A_SNAPSHOT || i->kind == AN_EXTRA) return;
    if (i->level) {
        find_list(l, i, out);
        return;
    }
    if (!l->parts_open || memcmp(l->parts_of, i->old.id, sizeof l->parts_of) != 0) {
        dx_tree_entry e = {.type = i->kind == A_DIR_PART ? DX_TREE_DIR : DX_TREE_FILE,
                           .level = i->old.level, .size = i->old.size};
        memcpy(e.id, i->old.id, sizeof e.id);
        memcpy(l->parts_of, i->old.id, sizeof l->parts_of);
        if (l->parts_open) versions_parts_close(&l->parts);
        versions_parts_open(&l->parts, l->store, &e);
        l->parts_open = true;
    }
    if (versions_parts_find(&l->parts, 0, &id, &start, &size)) return;
    if (i->size != DX_TREE_ANY_SIZE && i->size) last += i->size - 1;
    uint64_t total = l->parts.level ? l->parts.size : 1;
    const uint64_t places[VERSIONS_MISSING_BASES_MAX] = {i->start + i->before, last + i->after};
    for (unsigned k = 0; k < VERSIONS_MISSING_BASES_MAX; k++) {
        uint64_t at = places[k] < total ? places[k] : total - 1;
        if (!versions_parts_find(&l->parts, at, &id, &start, &size)) add_base(l, out, id);
    }
}

/* >>lack --------------------------------------------------------------- */
static versions_missing *open_empty(versions_store *s)
{
    versions_missing *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->store = s;
    l->bytes = prog_alloc(VERSIONS_OBJECT_MAX);
    return l;
}

versions_missing *versions_missing_open_file(versions_store *s, const versions_missing_file *file)
{
    static const origin none = {.known = false};
    const dx_tree_entry *e = &file->entry;
    assert(e->type == DX_TREE_FILE && e->size && e->level <= DX_TREE_LEVELS_MAX);
    const origin was = file->old ? origin_of(file->old) : none;
    versions_missing *l = open_empty(s);
    l->file = file;
    l->bytes_left = e->size;
    push_entry(l, e, 0, &was);
    return l;
}

versions_missing *versions_missing_open(versions_store *s, const uint8_t root[32],
                                        const uint8_t *old, const versions_limits *limits)
{
    dx_tree_entry e;
    versions_missing *l = open_empty(s);
    l->limits = *limits;
    item *i = push(l, A_SNAPSHOT, root);
    i->size = DX_TREE_ANY_SIZE;
    if (!old || versions_snapshot_root(s, old, &e, NULL)) return l;
    i->old = origin_of(&e);
    l->has_old = true;
    memcpy(l->root, root, sizeof l->root);
    memcpy(l->old_root, old, sizeof l->old_root);
    return l;
}

void versions_missing_trust_old(versions_missing *l) { l->trusts = true; }

void versions_missing_close(versions_missing *l)
{
    if (!l) return;
    if (l->parts_open) versions_parts_close(&l->parts);
    versions_places_close(l->places);
    versions_known_free(&l->visited);
    for (unsigned k = 0; k < VERSIONS_MISSING_WHOLES; k++) free(l->held[k].chunks);
    versions_renames_close(l->renames);
    free(l->added);
    free(l->stack);
    free(l->bytes);
    free(l);
}

static bool is_asked(const versions_missing *l, const uint8_t id[32])
{
    uint32_t left = l->asked_count;
    for (uint32_t k = 0; left && k < ASKED_MAX; k++) {
        if (!l->asked[k].used) continue;
        if (!memcmp(l->asked[k].id, id, 32)) return true;
        left--;
    }
    return false;
}

static uint32_t keep(versions_missing *l, const item *i)
{
    uint32_t k = 0;
    while (l->asked[k].used) k++;
    assert(k < ASKED_MAX);
    l->asked[k] = *i;
    l->asked[k].used = true;
    l->asked_count++;
    return k;
}

/* >>chosen files: their chunks are held back ------------------------------ */
static void push_back(versions_missing *l, const item *i)
{
    push(l, (item_kind)i->kind, i->id);
    l->stack[l->count - 1] = *i;
}

static void release(versions_missing *l, held_file *f)
{
    assert(f->state != FREE && l->held_count > 0);
    l->held_chunks -= f->count;
    l->held_count--;
    free(f->chunks);
    memset(f, 0, sizeof *f);
}

/* Hand out its chunks like those of other files. */
static void let_go(versions_missing *l, held_file *f)
{
    for (size_t c = f->count; c--;) {
        f->chunks[c].held = 0;
        push_back(l, &f->chunks[c]);
    }
    release(l, f);
}

/* This many bytes of a chosen file were visited: are these all? */
static void see(versions_missing *l, held_file *f, uint64_t size)
{
    assert(f->state == GATHERING);
    f->seen += size;
    if (f->seen < f->whole.file.size) return;
    if (f->whole.lacking && f->whole.lacking >= l->lacking_min) f->state = READY;
    else let_go(l, f);
}

/* Everything below this item is there, or is visited elsewhere. */
static void pass(versions_missing *l, const item *i)
{
    if (i->held) see(l, &l->held[i->held - 1], i->size);
}

/* Hold back a missing chunk of a chosen file. False: it is something else. */
static bool hold(versions_missing *l, const item *i)
{
    if (!i->held || leads(i)) return false;
    held_file *f = &l->held[i->held - 1];
    if (f->count == f->room) {
        f->room = 2 * f->room + 64;
        f->chunks = realloc(f->chunks, f->room * sizeof *f->chunks);
        if (!f->chunks) abort();
    }
    f->chunks[f->count++] = *i;
    l->held_chunks++;
    f->whole.lacking += i->size;
    see(l, f, i->size);
    return true;
}

/* A file is visited, of which the old snapshot has another content. False: wait, because no slot is
   free, or because the same content was chosen already. */
static bool decide(versions_missing *l, item *i, bool there)
{
    versions_missing_whole w = {.file = {.type = DX_TREE_FILE, .level = i->level, .size = i->size},
                                .old = {.type = DX_TREE_FILE, .level = i->old.level,
                                        .size = i->old.size}};
    held_file *slot = NULL;
    bool is_held = false;
    memcpy(w.file.id, i->id, sizeof i->id);
    memcpy(w.old.id, i->old.id, sizeof i->old.id);
    for (unsigned k = 0; k < VERSIONS_MISSING_WHOLES; k++) {
        held_file *f = &l->held[k];
        if (f->state == FREE) slot = f;
        else is_held |= !memcmp(f->whole.file.id, i->id, sizeof i->id);
    }
    if (l->choose && (!slot || is_held) && !(there && !i->level)) return false;
    i->top = false;
    if (!l->choose || (there && !i->level) || i->size < l->lacking_min ||
        !memcmp(i->id, i->old.id, sizeof i->id) || !l->choose(l->choose_user, &w)) {
        i->old.known &= !i->renamed;
        return true;
    }
    slot->state = GATHERING;
    slot->whole = w;
    l->held_count++;
    i->held = (uint8_t)(slot - l->held + 1);
    return true;
}

/* >>added files: they wait until all directories are there ------------------- */
static void put_off(versions_missing *l, const item *i)
{
    if (l->added_count == l->added_room) {
        l->added_room = 2 * l->added_room + 64;
        l->added = realloc(l->added, l->added_room * sizeof *l->added);
        if (!l->added) abort();
    }
    l->added[l->added_count++] = *i;
}

/* Nothing else is left on the stack. If no directory is outstanding either, push the added files, those
   that were renamed with the old one. False: there is nothing to visit now. */
static bool push_added(versions_missing *l)
{
    dx_tree_entry old;
    uint32_t left = l->asked_count;
    if (!l->added_count) return false;
    for (uint32_t k = 0; left && k < ASKED_MAX; k++) {
        const item *i = &l->asked[k];
        left -= i->used;
        if (i->used && (i->kind == A_SNAPSHOT || i->kind == A_DIR_PART)) return false;
    }
    if (!l->renames)
        l->renames = versions_renames_open(l->store, l->old_root, l->root, l->lacking_min);
    while (l->added_count) {
        item *i = &l->added[--l->added_count];
        i->added = false;
        i->renamed = i->top = versions_renames_find(l->renames, i->id, &old);
        if (i->renamed) i->old = origin_of(&old);
        push_back(l, i);
    }
    return true;
}

int versions_missing_next(versions_missing *l, versions_missing_object *out, uint32_t *ticket,
                          bool *none)
{
    size_t size;
    *none = false;
    while ((l->count || push_added(l)) && l->asked_count < ASKED_MAX) {
        item i = l->stack[--l->count];
        bool there = versions_object_has(l->store, i.id, 0);
        if (i.added && !(there && !leads(&i))) {
            put_off(l, &i);
            continue;
        }
        if (i.top && !decide(l, &i, there)) {
            push_back(l, &i);
            break;
        }
        if (there && leads(&i) && is_new(l, &i)) {
            int status = versions_object_get(l->store, i.id, l->bytes, VERSIONS_OBJECT_MAX, &size);
            if (!status) status = visit(l, &i, l->bytes, size);
            if (status) return status;
        } else if (there) pass(l, &i);
        if (there || hold(l, &i)) continue;
        memset(out, 0, sizeof *out);
        memcpy(out->id, i.id, sizeof out->id);
        out->size = i.level || i.size == DX_TREE_ANY_SIZE ? PIECE_GUESS : i.size;
        out->content = i.kind == A_FILE_PART && !i.level && i.size != DX_TREE_ANY_SIZE;
        find_bases(l, &i, out);
        if (is_asked(l, i.id)) { /* an equal object was requested, and leads to the same ones */
            push_back(l, &i);
            break;
        }
        *ticket = keep(l, &i);
        l->based[*ticket] = l->trusts && out->base_count;
        if (l->based[*ticket]) memcpy(l->bases[*ticket], out->bases[0], sizeof out->bases[0]);
        return PROG_OK;
    }
    *none = true;
    return PROG_OK;
}

static item drop(versions_missing *l, uint32_t ticket)
{
    assert(ticket < ASKED_MAX && l->asked[ticket].used);
    item i = l->asked[ticket];
    l->asked[ticket].used = false;
    l->asked_count--;
    return i;
}

void versions_missing_return(versions_missing *l, uint32_t ticket)
{
    item i = drop(l, ticket);
    i.used = false;
    push_back(l, &i);
}

void versions_missing_skip(versions_missing *l, uint32_t ticket) { (void)drop(l, ticket); }

int versions_missing_store(versions_missing *l, uint32_t ticket, const uint8_t *bytes, size_t size)
{
    dx_cas_id is;
    uint8_t id[32];
    item i = drop(l, ticket);
    const bool is_list = l->file && i.level;
    if (is_list) versions_list_id(bytes, size, is.bytes);
    else dx_cas_hash(bytes, size, &is);
    if (memcmp(is.bytes, i.id, sizeof i.id) != 0)
        return prog_fail(PROG_DAMAGED, "the server sent other bytes than it was asked for");
    if (!leads(&i) && i.size != size) return malformed(DX_TREE_ESUM);
    if (i.kind == A_FILE_PART && !i.level) { /* each part is visited once, and is included in the sum */
        if (size > l->bytes_left) return malformed(DX_TREE_ESUM);
        l->bytes_left -= size;
    }
    int status = PROG_OK;
    if (is_list) l->file->keep(l->file->user, i.id, bytes, size);
    else
        status = versions_object_put_after(l->store, bytes, size,
                                           l->based[ticket] ? l->bases[ticket] : NULL, id);
    if (status || !leads(&i)) return status;
    if (is_new(l, &i)) return visit(l, &i, bytes, size);
    pass(l, &i);
    return PROG_OK;
}

bool versions_missing_is_done(const versions_missing *l)
{
    return !l->count && !l->asked_count && !l->held_count && !l->added_count;
}

/* >>whole files --------------------------------------------------------- */
void versions_missing_choose(versions_missing *l,
                             bool (*choose)(void *user, const versions_missing_whole *whole),
                             void *user, uint64_t lacking_min)
{
    l->choose = choose;
    l->choose_user = user;
    l->lacking_min = lacking_min;
}

bool versions_missing_has_whole(const versions_missing *l)
{
    for (unsigned k = 0; l->held_count && k < VERSIONS_MISSING_WHOLES; k++)
        if (l->held[k].state == READY) return true;
    return false;
}

bool versions_missing_next_whole(versions_missing *l, versions_missing_whole *out, uint32_t *ticket)
{
    for (uint32_t k = 0; l->held_count && k < VERSIONS_MISSING_WHOLES; k++) {
        if (l->held[k].state != READY) continue;
        l->held[k].state = ASKED;
        l->held[k].tries++;
        *out = l->held[k].whole;
        *ticket = k;
        return true;
    }
    return false;
}

int versions_missing_store_whole(versions_missing *l, uint32_t ticket, const uint8_t *bytes)
{
    held_file *f = &l->held[ticket];
    int status = PROG_OK;
    assert(ticket < VERSIONS_MISSING_WHOLES && f->state == ASKED);
    for (size_t c = 0; !status && c < f->count; c++) {
        const item *i = &f->chunks[c];
        dx_cas_id is;
        uint8_t id[32];
        assert(i->start <= f->whole.file.size && i->size <= f->whole.file.size - i->start);
        dx_cas_hash(bytes + i->start, (size_t)i->size, &is);
        if (memcmp(is.bytes, i->id, sizeof i->id) != 0)
            return prog_fail(PROG_DAMAGED, "the server sent a patch that makes another file than it "
                                           "announced");
        if (versions_object_has(l->store, i->id, 0)) continue; /* meanwhile, for another file */
        if (i->size > l->bytes_left) return malformed(DX_TREE_ESUM);
        l->bytes_left -= i->size;
        status = versions_object_put(l->store, bytes + i->start, (size_t)i->size, id);
    }
    release(l, f);
    return status;
}

void versions_missing_return_whole(versions_missing *l, uint32_t ticket, bool again)
{
    held_file *f = &l->held[ticket];
    assert(ticket < VERSIONS_MISSING_WHOLES && f->state == ASKED);
    if (again && f->tries < TRIES_MAX) f->state = READY;
    else let_go(l, f);
}

void versions_missing_skip_whole(versions_missing *l, uint32_t ticket)
{
    assert(ticket < VERSIONS_MISSING_WHOLES && l->held[ticket].state == ASKED);
    release(l, &l->held[ticket]);
}
