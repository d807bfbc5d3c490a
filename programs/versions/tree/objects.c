/* Reads parts of files and directories from the store, checks them, and walks all objects of a
   snapshot. The store is untrusted: every inconsistency is damage. */
#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int damaged(int error)
{
    assert(error);
    return prog_fail(PROG_DAMAGED, "a directory in the store is malformed: %s",
                     dx_tree_error_name(error));
}

/* >>parts -------------------------------------------------------------- */
void versions_parts_open(versions_parts *p, versions_store *s, const dx_tree_entry *e)
{
    memset(p, 0, sizeof *p);
    p->store = s;
    memcpy(p->id, e->id, sizeof p->id);
    p->level = e->level;
    p->size = e->type == DX_TREE_DIR ? DX_TREE_ANY_SIZE : e->size;
}

void versions_parts_close(versions_parts *p)
{
    for (unsigned i = 0; i < DX_TREE_LEVELS_MAX; i++) free(p->nodes[i].bytes);
    memset(p, 0, sizeof *p);
}

/* Load the list of level i + 1 with that id; its content starts at start. */
static int load_list(versions_parts *p, unsigned i, const uint8_t *id, uint64_t start,
                     uint64_t total)
{
    size_t size = 0;
    assert(i < DX_TREE_LEVELS_MAX);
    if (!p->nodes[i].bytes) p->nodes[i].bytes = prog_alloc(DX_TREE_LIST_SIZE_MAX);
    p->nodes[i].loaded = false;
    int status = versions_object_get(p->store, id, p->nodes[i].bytes, DX_TREE_LIST_SIZE_MAX, &size);
    if (status) return status;
    int error = dx_tree_list_open(&p->nodes[i].view, p->nodes[i].bytes, size, i + 1, total);
    if (error) return damaged(error);
    p->nodes[i].start = p->nodes[i].child_start = start;
    p->nodes[i].child = 0;
    p->nodes[i].loaded = true;
    return PROG_OK;
}

int versions_parts_find(versions_parts *p, uint64_t offset, const uint8_t **id, uint64_t *start,
                        uint64_t *size)
{
    assert(p->level <= DX_TREE_LEVELS_MAX);
    unsigned i = 0;
    if (!p->level) {
        *id = p->id;
        *start = 0;
        *size = p->size == DX_TREE_ANY_SIZE ? 0 : p->size;
        return PROG_OK;
    }
    while (i < p->level && !(p->nodes[i].loaded && offset >= p->nodes[i].start &&
                             offset - p->nodes[i].start < p->nodes[i].view.size))
        i++;
    if (i == p->level) {
        int status = load_list(p, --i, p->id, 0, p->size);
        if (status) return status;
        p->size = p->nodes[i].view.size;
        if (offset >= p->size) return damaged(DX_TREE_ESUM);
    }
    for (;; i--) {
        const bool before = offset < p->nodes[i].child_start;
        uint32_t child = before ? 0 : p->nodes[i].child;
        *start = before ? p->nodes[i].start : p->nodes[i].child_start;
        *id = dx_tree_list_child(&p->nodes[i].view, child, size);
        while (offset - *start >= *size) {
            *start += *size;
            *id = dx_tree_list_child(&p->nodes[i].view, ++child, size);
        }
        p->nodes[i].child = child;
        p->nodes[i].child_start = *start;
        if (!i) return PROG_OK;
        int status = load_list(p, i - 1, *id, *start, *size);
        if (status) return status;
    }
}

int versions_parts_read(versions_store *s, const uint8_t id[32], uint64_t size, uint8_t *bytes,
                        size_t capacity)
{
    size_t got = 0;
    if (size > capacity) return damaged(DX_TREE_ETOOBIG);
    int status = versions_object_get(s, id, bytes, capacity, &got);
    return !status && got != size ? damaged(DX_TREE_ESUM) : status;
}

/* >>listing ------------------------------------------------------------ */
void versions_listing_open(versions_listing *l, versions_store *s, const dx_tree_entry *dir)
{
    memset(l, 0, sizeof *l);
    versions_parts_open(&l->parts, s, dir);
    dx_tree_reader_begin(&l->reader);
    l->dir = *dir;
    l->piece = prog_alloc(DX_TREE_PIECE_SIZE_MAX);
}

void versions_listing_close(versions_listing *l)
{
    versions_parts_close(&l->parts);
    free(l->piece);
    l->piece = NULL;
}

/* Load the piece that holds the byte at offset of the directory: got bytes that begin at *start. */
static int load_piece(versions_listing *l, uint64_t offset, uint64_t *start, size_t *got)
{
    const uint8_t *id;
    uint64_t size;
    assert(l->piece);
    int status = versions_parts_find(&l->parts, offset, &id, start, &size);
    if (!status)
        status = versions_object_get(l->parts.store, id, l->piece, DX_TREE_PIECE_SIZE_MAX, got);
    if (status) return status;
    return l->parts.level && size != *got ? damaged(DX_TREE_ESUM) : PROG_OK;
}

/* Feed the next piece of the directory to the reader. */
static int next_piece(versions_listing *l, bool *end)
{
    uint64_t start;
    size_t got = 0;
    *end = l->begun && (!l->parts.level || l->at == l->parts.size);
    if (*end) return PROG_OK;
    int status = load_piece(l, l->at, &start, &got);
    if (status) return status;
    if (start != l->at) return damaged(DX_TREE_ESUM);
    dx_tree_reader_feed(&l->reader, l->piece, got);
    l->at += got;
    l->begun = true;
    return PROG_OK;
}

int versions_listing_next(versions_listing *l, dx_tree_entry *out, bool *end)
{
    assert(l->piece);
    int got;
    *end = false;
    while (!(got = l->begun ? dx_tree_reader_next(&l->reader, out) : 0)) {
        int status = next_piece(l, end);
        const bool whole = l->sum.size == l->dir.size && l->sum.count == l->dir.count;
        if (status || (*end && (whole || l->sought))) return status;
        if (*end) return damaged(DX_TREE_ESUM);
    }
    if (got > 0) got = dx_tree_add_up(&l->sum, out);
    if (!got && (l->sum.size > l->dir.size || l->sum.count > l->dir.count)) got = DX_TREE_ESUM;
    return got < 0 ? damaged(got) : PROG_OK;
}

/* Find the last piece whose first name is not above this one, or the first piece: the bytes between
   low and high are those whose order is unknown.

       low             middle            high
        |  ...  [ a piece: its first name ]  ...  |

   Each step halves them, so it reads as many pieces as a directory has binary digits of bytes. */
static int seek_piece(versions_listing *l, const void *name, size_t name_size)
{
    dx_tree_entry first;
    const uint8_t *id;
    uint64_t low = 0, start = 0, size_first;
    size_t got = 0;
    int status = versions_parts_find(&l->parts, 0, &id, &start, &size_first); /* and l->parts.size */
    uint64_t high = l->parts.size;
    assert(l->parts.level && !l->at);
    while (!status && low < high) {
        status = load_piece(l, low + (high - low) / 2, &start, &got);
        if (status) break;
        const int size = dx_tree_read_entry(l->piece, got, &first);
        if (size < 0) return damaged(size);
        if (dx_tree_compare_names(first.name, first.name_size, name, name_size) > 0) {
            high = start;
        } else {
            l->at = start;
            low = start + got;
        }
    }
    return status;
}

int versions_listing_seek(versions_listing *l, const void *name, size_t name_size,
                          dx_tree_entry *out, bool *end)
{
    assert(!l->begun);
    int status = l->parts.level ? seek_piece(l, name, name_size) : PROG_OK;
    l->sought = l->at > 0;
    while (!status && !(status = versions_listing_next(l, out, end)) && !*end)
        if (dx_tree_compare_names(out->name, out->name_size, name, name_size) >= 0) break;
    return status;
}

dx_tree_entry versions_listing_detach(const dx_tree_entry *dir)
{
    dx_tree_entry own = *dir;
    own.name = own.data = own.extra = NULL;
    own.name_size = own.extra_size = 0;
    return own;
}

bool versions_listing_find(versions_listing *l, dx_tree_entry *at, bool *end,
                           const dx_tree_entry *e)
{
    int order = -1;
    while (!*end) {
        if (at->name)
            order = dx_tree_compare_names(at->name, at->name_size, e->name, e->name_size);
        if (order >= 0) break;
        if (versions_listing_next(l, at, end)) *end = true;
    }
    return !*end && !order;
}

int versions_limits_check(const versions_limits *limits, const dx_tree_entry *root)
{
    if (limits->entries_max && root->count > limits->entries_max)
        return prog_fail(PROG_REFUSED, "the snapshot has %llu entries, more than --entries-max %llu",
                         (unsigned long long)root->count, (unsigned long long)limits->entries_max);
    if (limits->size_max && root->size > limits->size_max)
        return prog_fail(PROG_REFUSED, "the snapshot has %llu bytes, more than --size-max %llu",
                         (unsigned long long)root->size, (unsigned long long)limits->size_max);
    return PROG_OK;
}

int versions_snapshot_root(versions_store *s, const uint8_t id[32], dx_tree_entry *out,
                           uint8_t *extras)
{
    uint8_t bytes[DX_TREE_SNAPSHOT_SIZE_MAX];
    size_t size = 0;
    int status = versions_object_get(s, id, bytes, sizeof bytes, &size);
    if (status) return status;
    int error = dx_tree_read_snapshot(bytes, size, out);
    if (!error && out->size > UINT64_MAX - VERSIONS_STREAM_EXTRA) error = DX_TREE_ETOOBIG;
    if (error) return damaged(error);
    out->name = NULL;
    if (extras) memcpy(extras, out->extra, out->extra_size);
    else out->extra_size = 0;
    out->extra = extras;
    return PROG_OK;
}

int versions_extra_read(versions_store *s, const dx_tree_entry *e, int kind, uint8_t *buffer,
                        const uint8_t **bytes, size_t *size)
{
    uint32_t expected = 0;
    assert(kind == DX_TREE_HOLES || kind == DX_TREE_XATTRS);
    *size = 0;
    *bytes = dx_tree_find_extra(e, kind, size);
    if (*bytes) return PROG_OK;
    *size = 0;
    const uint8_t *id = dx_tree_read_object(e, kind, &expected);
    if (!id) return PROG_OK;
    *bytes = buffer;
    int status = versions_object_get(s, id, buffer, DX_TREE_EXTRA_SIZE_MAX, size);
    return !status && *size != expected ? damaged(DX_TREE_ESUM) : status;
}

/* >>known -------------------------------------------------------------- */
/* A set of ids with open addressing; a zero id is a free slot. */
static bool is_free(const uint8_t id[32])
{
    static const uint8_t zero[32];
    return !memcmp(id, zero, 32);
}

static size_t known_slot(const versions_known *k, const uint8_t id[32])
{
    assert(k->used <= k->mask /* one slot is free */);
    for (size_t at = versions_slot_of(&k->key, id, k->mask);; at = (at + 1) & k->mask)
        if (is_free(k->ids[at]) || !memcmp(k->ids[at], id, 32)) return at;
}

bool versions_known_has(const versions_known *k, const uint8_t id[32])
{
    return k->ids && !is_free(k->ids[known_slot(k, id)]);
}

static void known_add(versions_known *k, const uint8_t id[32])
{
    if (!k->ids || k->used * 2 > k->mask) {
        versions_known old = *k;
        if (!old.ids) versions_slots_key_make(&k->key);
        k->mask = old.ids ? old.mask * 2 + 1 : 255;
        k->ids = prog_alloc((k->mask + 1) * sizeof *k->ids);
        memset(k->ids, 0, (k->mask + 1) * sizeof *k->ids);
        for (size_t i = 0; old.ids && i <= old.mask; i++)
            if (!is_free(old.ids[i])) memcpy(k->ids[known_slot(k, old.ids[i])], old.ids[i], 32);
        free(old.ids);
    }
    memcpy(k->ids[known_slot(k, id)], id, 32);
    k->used++;
    assert(k->used <= k->mask);
}

bool versions_known_put(versions_known *k, const uint8_t id[32])
{
    if (versions_known_has(k, id)) return false;
    known_add(k, id);
    return true;
}

void versions_known_free(versions_known *k)
{
    free(k->ids);
    memset(k, 0, sizeof *k);
}

/* >>visit -------------------------------------------------------------- */
/* Visit the parts of one file or directory, and each list after its last child. */
static int visit_parts(versions_store *s, const dx_tree_entry *e, versions_visit *visit, void *user)
{
    versions_parts p;
    const uint8_t *id;
    uint64_t at = 0, start, size = 0;
    int status;
    assert(visit);
    if (!e->level) return visit(user, e->id);
    versions_parts_open(&p, s, e);
    do {
        uint64_t starts[DX_TREE_LEVELS_MAX];
        status = versions_parts_find(&p, at, &id, &start, &size);
        for (unsigned i = 0; i < p.level; i++) starts[i] = p.nodes[i].start;
        if (!status) status = visit(user, id);
        at = start + size;
        /* Visit the lists that end here, from the lowest level up; their ids are in the
           lists above them. */
        for (unsigned i = 0; !status && i < p.level; i++) {
            if (at - starts[i] != p.nodes[i].view.size) break;
            const uint8_t *list = p.id;
            uint64_t child_size = 0, child_start = i + 1 < p.level ? starts[i + 1] : 0;
            for (uint32_t c = 0; i + 1 < p.level && child_start + child_size <= starts[i]; c++) {
                child_start += child_size;
                list = dx_tree_list_child(&p.nodes[i + 1].view, c, &child_size);
            }
            status = visit(user, list);
        }
    } while (!status && at < p.size);
    versions_parts_close(&p);
    return status;
}

static int visit_dir(versions_store *s, const dx_tree_entry *dir, unsigned depth,
                     versions_known *known, versions_visit *visit, void *user);

/* Visit metadata too large for the entry. */
static int visit_extras(const dx_tree_entry *e, versions_visit *visit, void *user)
{
    uint32_t size;
    const uint8_t *holes = dx_tree_read_object(e, DX_TREE_HOLES, &size);
    const uint8_t *xattrs = dx_tree_read_object(e, DX_TREE_XATTRS, &size);
    int status = holes ? visit(user, holes) : PROG_OK;
    return status || !xattrs ? status : visit(user, xattrs);
}

static int visit_entry(versions_store *s, const dx_tree_entry *e, unsigned depth,
                       versions_known *known, versions_visit *visit, void *user)
{
    int status = visit_extras(e, visit, user);
    if (status) return status;
    if (e->type == DX_TREE_DIR) return visit_dir(s, e, depth + 1, known, visit, user);
    return e->level == DX_TREE_INLINE ? PROG_OK : visit_parts(s, e, visit, user);
}

/* Recursion is limited by PROG_DEPTH_MAX. */
static int visit_dir(versions_store *s, const dx_tree_entry *dir, unsigned depth,
                     versions_known *known, versions_visit *visit, void *user)
{
    dx_tree_entry e;
    versions_listing l;
    uint8_t key[32]; /* id and level: the same bytes at another level mean something else */
    bool end = false;
    int status;
    memcpy(key, dir->id, sizeof key);
    key[31] ^= dir->level;
    if (versions_known_has(known, key)) return PROG_OK;
    if (depth > PROG_DEPTH_MAX) return damaged(DX_TREE_ETOOBIG);
    versions_listing_open(&l, s, dir);
    while (!(status = versions_listing_next(&l, &e, &end)) && !end) {
        status = visit_entry(s, &e, depth, known, visit, user);
        if (status) break;
    }
    versions_listing_close(&l);
    if (!status) status = visit_parts(s, dir, visit, user);
    if (!status) known_add(known, key);
    return status;
}

int versions_snapshot_visit(versions_store *s, const uint8_t root[32], versions_known *known,
                            versions_visit *visit, void *user)
{
    dx_tree_entry e;
    uint8_t extras[DX_TREE_EXTRAS_MAX];
    int status = versions_snapshot_root(s, root, &e, extras);
    if (!status) status = visit_extras(&e, visit, user);
    if (!status) status = visit_dir(s, &e, 0, known, visit, user);
    return status ? status : visit(user, root);
}
