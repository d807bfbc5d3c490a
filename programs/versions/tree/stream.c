/* A snapshot as the stream of bytes that README.md specifies, read at any offset. The stream is a
   sequence of elements: the head of an entry with its path (and inline content), then the content.
   The size of each directory in the stream is known, so directories before the offset are skipped
   without being read. */
#include "tree.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 16 + PROG_PATH_SIZE_MAX + DX_TREE_TARGET_MAX };

typedef struct frame {
    versions_listing listing;
    size_t           path_size; /* of the directory's path, with its "/" */
} frame;

struct versions_stream {
    versions_store *store;
    dx_tree_entry   root, entry;  /* entry: the current element; type 0: the end of the stream */
    frame          *frames[PROG_DEPTH_MAX + 1];
    size_t          depth;            /* frames in use */
    uint64_t        start, size;      /* of the element's head; of the stream */
    size_t          head_size;
    uint64_t        content_size;     /* after the head */
    versions_parts  parts;            /* of the content */
    uint64_t        chunk_start, chunk_size; /* in the content; size 0: none is loaded */
    size_t          path_size;
    char            path[PROG_PATH_SIZE_MAX + 1];
    uint8_t         head[HEAD_MAX], chunk[VERSIONS_CHUNK_MAX];
};

static int malformed(const char *why)
{
    return prog_fail(PROG_DAMAGED, "a snapshot in the store is malformed: %s", why);
}

/* >>elements ----------------------------------------------------------- */
static void put_head(versions_stream *t, char type, unsigned mode, uint64_t size)
{
    assert(t->head_size + 16 + t->path_size <= sizeof t->head);
    uint8_t *h = t->head + t->head_size;
    memset(h, 0, 16);
    h[0] = (uint8_t)type;
    h[2] = (uint8_t)(mode & 0xff);
    h[3] = (uint8_t)(mode >> 8);
    h[4] = (uint8_t)(t->path_size & 0xff);
    h[5] = (uint8_t)(t->path_size >> 8);
    for (int i = 0; i < 8; i++) h[8 + i] = (uint8_t)(size >> (8 * i) & 0xff);
    memcpy(h + 16, t->path, t->path_size);
    t->head_size += 16 + t->path_size;
}

/* Make *e the current element. */
static void open_element(versions_stream *t, const dx_tree_entry *e)
{
    static const char types[] = {0, 'f', 'd', 'l'}; /* streams have neither fifos nor devices */
    assert(e->type >= DX_TREE_FILE && e->type <= DX_TREE_LINK);
    bool in_line = e->level == DX_TREE_INLINE, is_dir = e->type == DX_TREE_DIR;
    unsigned mode = e->type == DX_TREE_LINK ? 0777 : e->mode & 0777;
    t->entry = *e;
    put_head(t, types[e->type], mode, is_dir ? 0 : e->size);
    if (in_line && e->size) {
        assert(e->size <= sizeof t->head - t->head_size);
        memcpy(t->head + t->head_size, e->data, (size_t)e->size);
        t->head_size += (size_t)e->size;
    }
    t->content_size = in_line || is_dir ? 0 : e->size;
    t->chunk_size = 0;
    versions_parts_close(&t->parts);
    if (t->content_size) versions_parts_open(&t->parts, t->store, e);
}

static void go_to_start(versions_stream *t)
{
    while (t->depth) versions_listing_close(&t->frames[--t->depth]->listing);
    t->start = 0;
    t->path_size = 0;
    memcpy(t->head, "DXTREE1\n", 8);
    t->head_size = 8;
    open_element(t, &t->root);
}

static int enter(versions_stream *t)
{
    assert(t->entry.type == DX_TREE_DIR);
    if (t->depth > PROG_DEPTH_MAX) return malformed("too deep");
    if (!t->frames[t->depth]) t->frames[t->depth] = prog_alloc(sizeof(frame));
    frame *f = t->frames[t->depth++];
    if (t->path_size) {
        if (t->path_size >= PROG_PATH_SIZE_MAX) return malformed("a path is too long");
        t->path[t->path_size++] = '/';
    }
    f->path_size = t->path_size;
    versions_listing_open(&f->listing, t->store, &t->entry);
    return PROG_OK;
}

/* The size of the stream below the current directory. */
static int size_below(const versions_stream *t, uint64_t *below)
{
    uint64_t prefix = t->path_size ? t->path_size + 1 : 0;
    if (prefix && t->entry.count > (UINT64_MAX - t->entry.size) / prefix)
        return malformed("impossible sizes");
    *below = t->entry.size + t->entry.count * prefix;
    return PROG_OK;
}

/* Move to the next element; directories that end before offset are skipped. */
static int next_element(versions_stream *t, uint64_t offset)
{
    dx_tree_entry e;
    bool end = true;
    int status = PROG_OK;
    t->start += t->head_size + t->content_size;
    if (t->entry.type == DX_TREE_DIR) {
        uint64_t below = 0;
        status = size_below(t, &below);
        if (!status && offset - t->start >= below) t->start += below;
        else if (!status) status = enter(t);
    }
    while (!status && end && t->depth) {
        frame *f = t->frames[t->depth - 1];
        status = versions_listing_next(&f->listing, &e, &end);
        t->path_size = f->path_size;
        if (!status && !end && e.type > DX_TREE_LINK) {
            end = true; /* skipped: continue in the parent */
            continue;
        }
        if (end) versions_listing_close(&t->frames[--t->depth]->listing);
    }
    if (status) return status;
    t->head_size = 0;
    if (end) { /* sixteen zero bytes */
        t->path_size = 0;
        memset(&t->entry, 0, sizeof t->entry);
        put_head(t, 0, 0, 0);
        t->content_size = 0;
        return t->start == t->size - 16 ? PROG_OK : malformed("sizes that do not add up");
    }
    if (e.name_size > PROG_PATH_SIZE_MAX - t->path_size) return malformed("a path is too long");
    memcpy(t->path + t->path_size, e.name, e.name_size);
    t->path_size += e.name_size;
    open_element(t, &e);
    return PROG_OK;
}

static int find_element(versions_stream *t, uint64_t offset)
{
    int status = PROG_OK;
    if (offset >= t->size) return malformed("it is truncated");
    if (offset < t->start) go_to_start(t);
    while (!status && offset - t->start >= t->head_size + t->content_size)
        status = next_element(t, offset);
    if (status) t->start = UINT64_MAX; /* restart on the next read */
    return status;
}

/* >>public ------------------------------------------------------------- */
int versions_stream_open(versions_stream **out, versions_store *s, const uint8_t root[32],
                         uint64_t *size)
{
    versions_stream *t = prog_alloc(sizeof *t);
    memset(t, 0, sizeof *t);
    t->store = s;
    int status = versions_snapshot_root(s, root, &t->root, NULL);
    if (status) {
        free(t);
        return status;
    }
    *size = t->size = t->root.size + VERSIONS_STREAM_EXTRA;
    go_to_start(t);
    *out = t;
    return PROG_OK;
}

void versions_stream_close(versions_stream *t)
{
    if (!t) return;
    while (t->depth) versions_listing_close(&t->frames[--t->depth]->listing);
    for (size_t i = 0; i <= PROG_DEPTH_MAX; i++) free(t->frames[i]);
    versions_parts_close(&t->parts);
    free(t);
}

/* Read bytes of the current content, from the chunk that holds offset. */
static int read_content(versions_stream *t, uint64_t offset, uint8_t *out, size_t size, size_t *got)
{
    assert(offset < t->content_size);
    const uint8_t *id;
    int status = PROG_OK;
    if (!t->chunk_size || offset - t->chunk_start >= t->chunk_size) {
        uint64_t start = 0, chunk = 0;
        t->chunk_size = 0;
        status = versions_parts_find(&t->parts, offset, &id, &start, &chunk);
        if (!status) status = versions_parts_read(t->store, id, chunk, t->chunk, sizeof t->chunk);
        if (status) return status;
        t->chunk_start = start;
        t->chunk_size = chunk;
    }
    assert(offset - t->chunk_start < t->chunk_size);
    uint64_t left = t->chunk_start + t->chunk_size - offset;
    *got = left < size ? (size_t)left : size;
    memcpy(out, t->chunk + (offset - t->chunk_start), *got);
    return status;
}

int versions_stream_read(versions_stream *t, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    while (size) {
        size_t n;
        int status = find_element(t, offset);
        if (status) return status;
        assert(offset >= t->start);
        uint64_t at = offset - t->start;
        if (at < t->head_size) {
            n = t->head_size - (size_t)at < size ? t->head_size - (size_t)at : size;
            memcpy(to, t->head + at, n);
        } else if ((status = read_content(t, at - t->head_size, to, size, &n)) != 0) {
            return status;
        }
        to += n;
        offset += n;
        size -= n;
    }
    return PROG_OK;
}

int versions_stream_chunk(versions_stream *t, uint64_t offset, uint8_t id[32], uint64_t *start,
                          uint64_t *size)
{
    const uint8_t *found;
    int status = find_element(t, offset);
    if (status) return status;
    if (offset - t->start < t->head_size) {
        dx_cas_id hash;
        dx_cas_hash(t->head, t->head_size, &hash);
        memcpy(id, hash.bytes, PROG_HASH_SIZE);
        *start = t->start;
        *size = t->head_size;
        return PROG_OK;
    }
    uint64_t content = t->start + t->head_size;
    status = versions_parts_find(&t->parts, offset - content, &found, start, size);
    if (status) return status;
    memcpy(id, found, PROG_HASH_SIZE);
    *start += content;
    return PROG_OK;
}
