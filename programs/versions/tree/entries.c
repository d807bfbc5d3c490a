/* The entries of a tree by their paths. In a snapshot each name of the path is found by a binary
   search in its directory. A stream is read head by head, and the content between is skipped.
   See entries.h. */
#include "entries.h"

#include "content.h"
#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_MAGIC_SIZE = 8, STREAM_HEAD_SIZE = 16 };

typedef struct walk {
    versions_store       *store;
    const char           *wanted;
    const char           *from;  /* the first name of the wanted directory to visit */
    unsigned              depth; /* maximum depth below the wanted path */
    versions_entry_visit *visit;
    void                 *user;
    bool                  found; /* there is an entry at the path */
    size_t                path_size;
    char                  path[PROG_PATH_SIZE_MAX + 1]; /* of the current entry */
} walk;

bool versions_entry_path_is_valid(const char *path)
{
    const char *at = path;
    if (!*path) return true;
    for (;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size <= 2 && !strncmp(at, "..", size))) return false;
        at += size;
        if (!*at) return strlen(path) <= PROG_PATH_SIZE_MAX;
    }
}

/* >>position of a path --------------------------------------------------- */
enum { ELSEWHERE = -2, ABOVE = -1, AT = 0 };

/* The position relative to the wanted path: the number of levels below it; AT it; ABOVE:
   it leads there. */
static int place_of(const walk *w)
{
    size_t wanted = strlen(w->wanted), size = w->path_size;
    const char *rest = w->path + wanted;
    int levels = 1;
    if (size < wanted)
        return !strncmp(w->wanted, w->path, size) && (!size || w->wanted[size] == '/') ? ABOVE
                                                                                       : ELSEWHERE;
    if (strncmp(w->wanted, w->path, wanted) != 0) return ELSEWHERE;
    if (size == wanted) return AT;
    if (wanted && *rest != '/') return ELSEWHERE;
    for (rest += wanted ? 1 : 0; *rest; rest++) levels += *rest == '/';
    return levels;
}

/* Is it, or does it lie below, a name of the wanted directory that comes before w->from? */
static bool is_before(const walk *w)
{
    const size_t wanted = strlen(w->wanted);
    const char *name = w->path + wanted + (wanted ? 1 : 0);
    return dx_tree_compare_names(name, strcspn(name, "/"), w->from, strlen(w->from)) < 0;
}

/* Visit the entry if it is wanted. */
static int show(walk *w, versions_entry *e)
{
    const int place = place_of(w);
    e->path = w->path;
    if (place == AT) w->found = true;
    if (place < AT || place > (int)w->depth || (place == AT && e->type == DX_TREE_DIR))
        return PROG_OK;
    return place > AT && is_before(w) ? PROG_OK : w->visit(w->user, e);
}

/* >>snapshot ----------------------------------------------------------- */
static int walk_directory(walk *w, const dx_tree_entry *dir, int depth, const char *from);

/* Append the name of an entry to the path. */
static int enter(walk *w, const dx_tree_entry *node)
{
    if (node->name_size + 1u > PROG_PATH_SIZE_MAX - w->path_size)
        return prog_fail(PROG_DAMAGED, "%s: the path is too long", w->path);
    if (w->path_size) w->path[w->path_size++] = '/';
    memcpy(w->path + w->path_size, node->name, node->name_size);
    w->path_size += node->name_size;
    w->path[w->path_size] = 0;
    return PROG_OK;
}

/* Call the visit for the entry at w->path. */
static int visit_node(walk *w, const dx_tree_entry *node)
{
    versions_entry e = {.path = w->path, .type = node->type, .mode = node->mode, .has_time = true,
                        .mtime_ns = node->mtime_ns, .node = node};
    if (node->type != DX_TREE_DIR) e.size = node->size;
    return w->visit(w->user, &e);
}

static int walk_entry(walk *w, const dx_tree_entry *node, int depth)
{
    const size_t before = w->path_size;
    int status = enter(w, node);
    if (status) return status;
    status = visit_node(w, node);
    if (!status && node->type == DX_TREE_DIR && depth < (int)w->depth)
        status = walk_directory(w, node, depth + 1, "");
    w->path_size = before;
    w->path[before] = 0;
    return status;
}

/* Visit the entries of a directory, from a name on. depth: of the entries, below the wanted path.
   Recursion is limited by PROG_DEPTH_MAX. */
static int walk_directory(walk *w, const dx_tree_entry *dir, int depth, const char *from)
{
    dx_tree_entry node;
    versions_listing l;
    bool end = false;
    if (depth > PROG_DEPTH_MAX + 1)
        return prog_fail(PROG_DAMAGED, "%s: more than %d directories deep", w->path,
                         PROG_DEPTH_MAX);
    versions_listing_open(&l, w->store, dir);
    int status = *from ? versions_listing_seek(&l, from, strlen(from), &node, &end)
                       : versions_listing_next(&l, &node, &end);
    while (!status && !end) {
        status = walk_entry(w, &node, depth);
        if (!status) status = versions_listing_next(&l, &node, &end);
    }
    versions_listing_close(&l);
    return status;
}

/* Find the entry of a directory that is the next name of the wanted path: a directory into *dir, or
   the last one, which is visited. */
static int find_next(walk *w, dx_tree_entry *dir)
{
    const char *name = w->wanted + w->path_size + (w->path_size ? 1 : 0);
    const size_t size = strcspn(name, "/");
    dx_tree_entry node;
    versions_listing l;
    bool end = false;
    versions_listing_open(&l, w->store, dir);
    int status = versions_listing_seek(&l, name, size, &node, &end);
    if (!status && (end || dx_tree_compare_names(node.name, node.name_size, name, size)))
        status = PROG_NOT_FOUND;
    if (!status && name[size] && node.type != DX_TREE_DIR) status = PROG_NOT_FOUND;
    if (!status) status = enter(w, &node);
    if (!status && node.type != DX_TREE_DIR) {
        w->found = true;
        status = visit_node(w, &node);
    }
    if (!status) {
        *dir = versions_listing_detach(&node);
    }
    versions_listing_close(&l);
    return status;
}

static int walk_snapshot(walk *w, const versions_version *v)
{
    dx_tree_entry dir;
    int status = versions_snapshot_root(w->store, v->root, &dir, NULL);
    for (int depth = 0; !status && w->wanted[w->path_size]; depth++) {
        status = depth > PROG_DEPTH_MAX ? PROG_NOT_FOUND : find_next(w, &dir);
        if (w->found) return status;
    }
    w->found = !status;
    return status || !w->depth ? status : walk_directory(w, &dir, 1, w->from);
}

/* >>stream: README.md, "A tree as bytes" --------------------------------------- */
static int malformed(const versions_version *v)
{
    return prog_fail(PROG_DAMAGED, "%s@%llu is damaged: its tree is malformed", v->name,
                     (unsigned long long)v->version);
}

/* Read the head at *at with its path, and advance to the content; *end: it was the last one. */
static int read_head(walk *w, const versions_version *v, versions_content *c, uint64_t *at,
                     versions_entry *e, bool *end)
{
    static const char types[] = {0, 'f', 'd', 'l'};
    uint8_t h[STREAM_HEAD_SIZE];
    if (v->size - *at < sizeof h) return malformed(v);
    int status = versions_content_read(c, *at, h, sizeof h);
    if (status) return status;
    *at += sizeof h;
    *end = !h[0];
    if (*end) return PROG_OK;
    const char *type = memchr(types, h[0], sizeof types);
    w->path_size = h[4] | (size_t)h[5] << 8;
    if (!type || w->path_size > PROG_PATH_SIZE_MAX || w->path_size > v->size - *at)
        return malformed(v);
    *e = (versions_entry){.type = (int)(type - types), .mode = h[2] | (unsigned)h[3] << 8};
    for (int i = 15; i >= 8; i--) e->size = e->size << 8 | h[i];
    if (w->path_size) status = versions_content_read(c, *at, w->path, w->path_size);
    w->path[w->path_size] = 0;
    *at += w->path_size;
    e->offset = *at;
    if (!status && (strlen(w->path) != w->path_size || !versions_entry_path_is_valid(w->path) ||
                    e->size > v->size - *at))
        status = malformed(v);
    return status;
}

static int walk_stream(walk *w, const versions_version *v)
{
    versions_content *c;
    versions_entry e;
    uint64_t at = STREAM_MAGIC_SIZE;
    bool end = false;
    if (v->size < STREAM_MAGIC_SIZE) return malformed(v);
    int status = versions_content_open(&c, w->store, v);
    if (status) return status;
    while (!status && !(status = read_head(w, v, c, &at, &e, &end)) && !end) {
        if (w->path_size) status = show(w, &e);
        at += e.size;
    }
    versions_content_close(c);
    return status;
}

int versions_entries_visit_from(versions_store *s, const versions_version *v, const char *path,
                                unsigned depth, const char *from, versions_entry_visit *visit,
                                void *user)
{
    walk *w = prog_alloc(sizeof *w);
    assert(v->kind == PROG_TREE && versions_entry_path_is_valid(path));
    *w = (walk){.store = s, .wanted = path, .depth = depth, .from = from, .visit = visit,
                .user = user};
    w->found = !v->snapshot && !*path; /* the top always exists */
    int status = v->snapshot ? walk_snapshot(w, v) : walk_stream(w, v);
    if (!status && !w->found) status = PROG_NOT_FOUND;
    free(w);
    return status;
}

int versions_entries_visit(versions_store *s, const versions_version *v, const char *path,
                           unsigned depth, versions_entry_visit *visit, void *user)
{
    return versions_entries_visit_from(s, v, path, depth, "", visit, user);
}

/* >>content ------------------------------------------------------------ */
static int stream_chunks(versions_store *s, const dx_tree_entry *node, versions_sink *sink,
                         void *user)
{
    versions_parts parts;
    const uint8_t *id;
    uint64_t start, size;
    int status = PROG_OK;
    uint8_t *buffer = prog_alloc(VERSIONS_CHUNK_MAX);
    versions_parts_open(&parts, s, node);
    for (uint64_t at = 0; !status && at < node->size; at += size) {
        status = versions_parts_find(&parts, at, &id, &start, &size);
        if (!status) status = versions_parts_read(s, id, size, buffer, VERSIONS_CHUNK_MAX);
        if (!status) status = sink(user, buffer, (size_t)size);
    }
    versions_parts_close(&parts);
    free(buffer);
    return status;
}

int versions_entry_stream(versions_store *s, const versions_version *v, const versions_entry *e,
                          versions_sink *sink, void *user)
{
    versions_content *c;
    assert(e->type != DX_TREE_DIR);
    if (e->node && e->node->level == DX_TREE_INLINE)
        return sink(user, e->node->data, (size_t)e->size);
    if (e->node) return stream_chunks(s, e->node, sink, user);
    int status = versions_content_open(&c, s, v);
    if (status) return status;
    uint8_t *buffer = prog_alloc(PROG_IO_SIZE);
    for (uint64_t at = 0; !status && at < e->size;) {
        size_t n = e->size - at < PROG_IO_SIZE ? (size_t)(e->size - at) : PROG_IO_SIZE;
        status = versions_content_read(c, e->offset + at, buffer, n);
        if (!status) status = sink(user, buffer, n);
        at += n;
    }
    free(buffer);
    versions_content_close(c);
    return status;
}
