/*  dx_streams.h - content of any size in a store of dx_cas.h: chunks under a tree of list nodes

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too (they use helpers of that implementation, so both belong in the same
    file). MIT-0 or public domain, as dx_cas.h. Nodes: docs/formats/cas.md, section 6; what
    the store must know of them to verify and to collect stands in dx_cas.h.

        dx_cas_writer_begin(&writer, &desc);            // desc: the store, memory, a chunker
        dx_cas_writer_write(&writer, data, size, NULL); // in pieces of any size
        dx_cas_writer_finish(&writer, &content);        // content.root is what a name points to

        dx_cas_reader_open(&reader, &store, &ref.root, memory, memory_size);
        dx_cas_reader_read(&reader, offset, buffer, size, &got);

    Nothing here is allocated, and nothing recurses. Writer and reader belong to the thread of their
    store. Errors are those of dx_cas.h.
*/
#ifndef DX_CAS_STREAMS_H
#define DX_CAS_STREAMS_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_cas_content { /* what a writer made of a content */
    dx_cas_id root;    /* opens a dx_cas_reader */
    dx_cas_id content; /* plain BLAKE3-256 of all bytes (what b3sum prints) */
    uint64_t  size;
} dx_cas_content;

typedef int dx_cas_put_fn(void *user, uint64_t offset, const void *chunk, size_t size,
                          dx_cas_id *id);

typedef struct dx_cas_writer_desc {
    dx_cas_store *store;          /* required, opened for writing; borrowed until finish */
    void         *memory;         /* required; borrowed until finish */
    size_t        memory_size;    /* dx_cas_writer_memory_size() */
    dx_cas_chunker_desc chunker;
    /* In place of dx_cas_put() for chunks, such as for deltas: must give the same id. NULL: it. */
    dx_cas_put_fn *put;
    void          *user;
} dx_cas_writer_desc;

typedef struct dx_cas_writer { /* caller-allocated; fields are private */
    dx_cas_store  *store_;
    uint8_t       *chunk_, *nodes_; /* the chunk and DX_CAS_LEVELS_MAX nodes in progress */
    uint32_t       chunk_size_;
    bool           cut_, active_;   /* cut_: the chunk is complete and must be put */
    uint32_t       counts_[DX_CAS_LEVELS_MAX];
    uint64_t       sizes_[DX_CAS_LEVELS_MAX], size_;
    dx_cas_chunker chunker_;
    dx_cas_hasher  content_;
    dx_cas_put_fn *put_;
    void          *user_;
} dx_cas_writer;

typedef struct dx_cas_reader { /* caller-allocated; fields are private but size */
    uint64_t      size;           /* of the content in bytes */
    dx_cas_store *store_;
    uint8_t      *nodes_, *chunk_; /* the path from the root to the chunk */
    size_t        chunk_capacity_;
    uint64_t      starts_[DX_CAS_LEVELS_MAX + 1]; /* first content byte under each; [0]: chunk */
    uint64_t      spans_[DX_CAS_LEVELS_MAX + 1];  /* bytes under it; 0 = not loaded */
    dx_cas_id     root_;
    uint32_t      level_;
} dx_cas_reader;

/* Bytes of memory for the chunker of desc; 0: it breaks its contract. */
DX_CAS_API size_t dx_cas_writer_memory_size(const dx_cas_writer_desc *desc);
DX_CAS_API int dx_cas_writer_begin(dx_cas_writer *w, const dx_cas_writer_desc *desc);
/* Add bytes, split in any way. *used (may be NULL) = how many were taken: after DX_CAS_ENOMEM, grow
   the store and go on with the rest. */
DX_CAS_API int dx_cas_writer_write(dx_cas_writer *w, const void *data, size_t size, size_t *used);
/* Store the rest and the list nodes. May be repeated after DX_CAS_ENOMEM. A writer that is not
   finished may simply be dropped. */
DX_CAS_API int dx_cas_writer_finish(dx_cas_writer *w, dx_cas_content *out);

/* Memory for a reader of content whose chunks have at most chunk_size_max bytes (0 = 256 KiB). */
DX_CAS_API size_t dx_cas_reader_memory_size(uint32_t chunk_size_max);
/* Open content by its root. memory and store are borrowed as long as *r is used. */
DX_CAS_API int dx_cas_reader_open(dx_cas_reader *r, dx_cas_store *s, const dx_cas_id *root,
                                  void *memory, size_t memory_size);
/* Read at any offset; every byte was checked. *got < size only at the end of the content.
   DX_CAS_ENOMEM: a chunk is larger than the memory; DX_CAS_ECORRUPT, DX_CAS_ENOTFOUND: damaged. */
DX_CAS_API int dx_cas_reader_read(dx_cas_reader *r, uint64_t offset, void *buffer, size_t size,
                                  size_t *got);
/* Which chunk holds the byte at offset (< r->size): its id, first byte and size. */
DX_CAS_API int dx_cas_reader_chunk(dx_cas_reader *r, uint64_t offset, dx_cas_id *id,
                                   uint64_t *start, uint64_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_STREAMS_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CAS_STREAMS_IMPLEMENTED)
#define DX_CAS_STREAMS_IMPLEMENTED

#define DX_CAS_P_NODES ((size_t)DX_CAS_LEVELS_MAX * DX_CAS_NODE_SIZE_MAX)

DX_CAS_API size_t dx_cas_writer_memory_size(const dx_cas_writer_desc *desc)
{
    dx_cas_chunker_desc p;
    if (!dx_cas_p_chunker_params(desc ? &desc->chunker : NULL, &p)) return 0;
    return DX_CAS_P_NODES + p.size_max;
}

DX_CAS_API int dx_cas_writer_begin(dx_cas_writer *w, const dx_cas_writer_desc *desc)
{
    if (!w || !desc || !desc->store || !desc->memory) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(w, 0, sizeof *w);
    DX_CAS_P_TRY(dx_cas_p_may_write(desc->store));
    DX_CAS_P_TRY(dx_cas_chunker_init(&w->chunker_, &desc->chunker));
    if (desc->memory_size < dx_cas_writer_memory_size(desc)) return DX_CAS_ENOMEM;
    if (w->chunker_.desc_.size_max > desc->store->desc_.object_size_max) return DX_CAS_ETOOBIG;
    w->store_ = desc->store;
    w->nodes_ = (uint8_t *)desc->memory;
    w->chunk_ = w->nodes_ + DX_CAS_P_NODES;
    w->active_ = true;
    w->put_ = desc->put;
    w->user_ = desc->user;
    DX_CAS_P_HASH(init)(&w->content_);
    return DX_CAS_OK;
}

static uint8_t *dx_cas_p_node_memory(uint8_t *nodes, uint32_t level)
{
    return nodes + (size_t)level * DX_CAS_NODE_SIZE_MAX;
}

static uint8_t *dx_cas_p_entry(uint8_t *nodes, uint32_t level, uint32_t i)
{
    uint8_t *node = dx_cas_p_node_memory(nodes, level);
    return node + DX_CAS_P_NODE_HEAD + (size_t)i * DX_CAS_P_NODE_ENTRY;
}

static void dx_cas_p_add_entry(dx_cas_writer *w, uint32_t level, const dx_cas_id *id, uint64_t size)
{
    uint8_t *at = dx_cas_p_entry(w->nodes_, level, w->counts_[level]++);
    DX_CAS_ASSERT(w->counts_[level] <= DX_CAS_NODE_ENTRIES_MAX);
    DX_CAS_MEMCPY(at, id->bytes, 32);
    dx_cas_p_store64(at + 32, size);
    w->sizes_[level] += size;
}

/* Store the node in progress at level (0 = of chunks) and make it an entry of the level above. */
static int dx_cas_p_close_node(dx_cas_writer *w, uint32_t level)
{
    uint8_t *node = dx_cas_p_node_memory(w->nodes_, level);
    size_t bytes = DX_CAS_P_NODE_HEAD + (size_t)w->counts_[level] * DX_CAS_P_NODE_ENTRY;
    dx_cas_id id;
    if (level + 1 == DX_CAS_LEVELS_MAX) return DX_CAS_ETOOBIG;
    dx_cas_p_store32(node, level + 1);
    dx_cas_p_store32(node + 4, w->counts_[level]);
    dx_cas_p_store64(node + 8, w->sizes_[level]);
    DX_CAS_P_TRY(dx_cas_p_put(w->store_, DX_CAS_P_LIST, level + 1, node, bytes, &id));
    dx_cas_p_add_entry(w, level + 1, &id, w->sizes_[level]);
    w->counts_[level] = 0;
    w->sizes_[level] = 0;
    return DX_CAS_OK;
}

/* Store complete nodes, from the lowest level up. A node is complete after an entry whose id ends
   it by its content, so that equal parts of two versions get equal nodes: at least 32 entries, 160
   on average, at most 512. An error leaves all as it was at the failing level. */
static int dx_cas_p_settle(dx_cas_writer *w)
{
    uint32_t level;
    for (level = 0; level < DX_CAS_LEVELS_MAX; level++) {
        uint32_t n = w->counts_[level];
        if (n < 32) continue;
        if (n == DX_CAS_NODE_ENTRIES_MAX || !(*dx_cas_p_entry(w->nodes_, level, n - 1) & 127)) {
            DX_CAS_P_TRY(dx_cas_p_close_node(w, level));
        }
    }
    return DX_CAS_OK;
}

static int dx_cas_p_close_chunk(dx_cas_writer *w)
{
    dx_cas_id id;
    uint32_t n = w->chunk_size_;
    DX_CAS_P_TRY(dx_cas_p_settle(w));
    DX_CAS_P_TRY(w->put_ ? w->put_(w->user_, w->size_ - n, w->chunk_, n, &id)
                         : dx_cas_p_put(w->store_, DX_CAS_P_BLOB, 0, w->chunk_, n, &id));
    dx_cas_p_add_entry(w, 0, &id, w->chunk_size_);
    w->chunk_size_ = 0;
    w->cut_ = false;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_writer_write(dx_cas_writer *w, const void *data, size_t size, size_t *used)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t done = 0;
    int error;
    if (used) *used = 0;
    if (!w || !w->active_ || (!data && size)) return DX_CAS_EINVAL;
    error = dx_cas_p_may_write(w->store_);
    if (size > DX_CAS_P_PLACE_MAX - w->size_) error = DX_CAS_ETOOBIG;
    while (error == DX_CAS_OK && done < size) {
        size_t n;
        if (w->cut_) {
            error = dx_cas_p_close_chunk(w);
            continue;
        }
        n = dx_cas_chunker_next(&w->chunker_, p + done, size - done, &w->cut_);
        DX_CAS_MEMCPY(w->chunk_ + w->chunk_size_, p + done, n);
        DX_CAS_P_HASH(update)(&w->content_, p + done, n);
        w->chunk_size_ += (uint32_t)n;
        w->size_ += n;
        done += n;
    }
    if (used) *used = done;
    return error;
}

/* No more chunks: close the nodes in progress until one entry is left. It is the root. */
static int dx_cas_p_close_tree(dx_cas_writer *w, dx_cas_id *root)
{
    uint32_t level, top = 0, i;
    for (i = 0; i < DX_CAS_LEVELS_MAX; i++) if (w->counts_[i]) top = i;
    for (level = 0; level < top || w->counts_[level] != 1; level++) {
        if (w->counts_[level] == 0) continue;
        DX_CAS_P_TRY(dx_cas_p_close_node(w, level));
        if (level + 1 > top) top = level + 1;
    }
    DX_CAS_MEMCPY(root->bytes, dx_cas_p_entry(w->nodes_, level, 0), 32);
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_writer_finish(dx_cas_writer *w, dx_cas_content *out)
{
    if (!w || !out || !w->active_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_may_write(w->store_));
    if (w->chunk_size_) DX_CAS_P_TRY(dx_cas_p_close_chunk(w));
    if (w->size_) DX_CAS_P_TRY(dx_cas_p_settle(w));
    DX_CAS_P_TRY(w->size_ ? dx_cas_p_close_tree(w, &out->root)
                          : dx_cas_p_put(w->store_, DX_CAS_P_BLOB, 0, NULL, 0, &out->root));
    out->size = w->size_;
    DX_CAS_P_HASH(final)(&w->content_, out->content.bytes, sizeof out->content.bytes);
    w->active_ = false;
    return DX_CAS_OK;
}

DX_CAS_API size_t dx_cas_reader_memory_size(uint32_t chunk_size_max)
{
    return DX_CAS_P_NODES + (chunk_size_max ? chunk_size_max : (uint32_t)1 << 18);
}

/* Read the node of a level into memory; level 0 is the chunk that the reader has. */
static int dx_cas_p_load_node(dx_cas_reader *r, dx_cas_store *s, const dx_cas_p_record *rec,
                              uint64_t start)
{
    dx_cas_p_node n;
    uint32_t level = rec->type == DX_CAS_P_LIST ? rec->flags : 0;
    r->spans_[level] = 0; /* not loaded, should the read fail */
    if (level == 0) {
        if (rec->logical > r->chunk_capacity_) return DX_CAS_ENOMEM;
        DX_CAS_P_TRY(dx_cas_p_get(s, rec, r->chunk_));
        n.total = rec->logical;
    } else {
        DX_CAS_P_TRY(dx_cas_p_get_node(s, rec, dx_cas_p_node_memory(r->nodes_, level - 1), &n));
    }
    r->starts_[level] = start;
    r->spans_[level] = n.total;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_reader_open(dx_cas_reader *r, dx_cas_store *s, const dx_cas_id *root,
                                  void *memory, size_t memory_size)
{
    dx_cas_p_record rec;
    if (!r || !s || !root || !memory || !s->open_) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(r, 0, sizeof *r);
    if (memory_size < DX_CAS_P_NODES) return DX_CAS_ENOMEM;
    DX_CAS_P_TRY(dx_cas_p_find(s, root, &rec, NULL));
    r->root_ = *root;
    r->nodes_ = (uint8_t *)memory;
    r->chunk_ = r->nodes_ + DX_CAS_P_NODES;
    r->chunk_capacity_ = memory_size - DX_CAS_P_NODES;
    r->size = rec.logical;
    if (rec.type == DX_CAS_P_LIST) {
        r->level_ = rec.flags;
        DX_CAS_P_TRY(dx_cas_p_load_node(r, s, &rec, 0));
        r->size = r->spans_[r->level_];
    }
    r->store_ = s; /* only now can it be read */
    return DX_CAS_OK;
}

static bool dx_cas_p_covers(const dx_cas_reader *r, uint32_t level, uint64_t offset)
{
    return offset >= r->starts_[level] && offset - r->starts_[level] < r->spans_[level];
}

/* Walk down to the record of the chunk that holds offset, reading the nodes that are not loaded. */
static int dx_cas_p_locate(dx_cas_reader *r, uint64_t offset, dx_cas_p_record *chunk,
                           uint64_t *start)
{
    dx_cas_store *s = r->store_;
    uint32_t level = r->level_;
    *start = 0;
    if (level == 0) return dx_cas_p_find(s, &r->root_, chunk, NULL);
    for (;; level--) {
        dx_cas_p_node n;
        dx_cas_id id;
        uint32_t i;
        n.level = level; /* the node was checked when it was read: an entry holds offset */
        n.entries = dx_cas_p_entry(r->nodes_, level - 1, 0);
        *start = r->starts_[level];
        for (i = 0; offset - *start >= dx_cas_p_node_size(&n, i); i++) {
            *start += dx_cas_p_node_size(&n, i);
        }
        if (level > 1 && dx_cas_p_covers(r, level - 1, offset)) continue;
        DX_CAS_P_TRY(dx_cas_p_find_child(s, &n, i, &id, chunk));
        if (level == 1) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_load_node(r, s, chunk, *start));
        if (r->spans_[level - 1] == dx_cas_p_node_size(&n, i)) continue;
        r->spans_[level - 1] = 0;
        return dx_cas_p_damaged(s, chunk->place);
    }
}

DX_CAS_API int dx_cas_reader_chunk(dx_cas_reader *r, uint64_t offset, dx_cas_id *id,
                                   uint64_t *start, uint64_t *size)
{
    dx_cas_p_record chunk;
    if (!r || !r->store_ || !id || !start || !size || offset >= r->size) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_locate(r, offset, &chunk, start));
    *id = chunk.id;
    *size = chunk.logical;
    return DX_CAS_OK;
}

static int dx_cas_p_read_chunk(dx_cas_reader *r, uint64_t offset, uint8_t *out, size_t size,
                               size_t *got)
{
    dx_cas_p_record chunk;
    uint64_t start = 0, left;
    if (!dx_cas_p_covers(r, 0, offset)) {
        DX_CAS_P_TRY(dx_cas_p_locate(r, offset, &chunk, &start));
        if (offset == start && chunk.logical <= size) {
            *got = (size_t)chunk.logical;
            return dx_cas_p_get(r->store_, &chunk, out);
        }
        DX_CAS_P_TRY(dx_cas_p_load_node(r, r->store_, &chunk, start));
    }
    left = r->spans_[0] - (offset - r->starts_[0]);
    *got = left < size ? (size_t)left : size;
    DX_CAS_MEMCPY(out, r->chunk_ + (size_t)(offset - r->starts_[0]), *got);
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_reader_read(dx_cas_reader *r, uint64_t offset, void *buffer, size_t size,
                                  size_t *got)
{
    uint8_t *out = (uint8_t *)buffer;
    if (!r || !r->store_ || !got || (!buffer && size)) return DX_CAS_EINVAL;
    *got = 0;
    while (*got < size && offset < r->size) {
        size_t n = 0;
        DX_CAS_P_TRY(dx_cas_p_read_chunk(r, offset, out + *got, size - *got, &n));
        *got += n;
        offset += n;
    }
    return DX_CAS_OK;
}

#endif /* DX_CAS_IMPLEMENTATION */
