/* Reads a file in a tree at any offset: chunk by chunk from a snapshot, or from its position in a
   stream. See entry_reader.h. */
#include "entry_reader.h"

#include "content.h"
#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct versions_entry_reader {
    versions_store   *store;
    uint64_t          size;
    versions_content *content; /* for a stream; otherwise NULL */
    uint64_t          offset;  /* of the file in the stream */
    versions_parts    parts;   /* for a snapshot */
    bool              whole;   /* chunk has all of the file, which was inline */
    uint8_t          *chunk;   /* VERSIONS_CHUNK_MAX bytes; NULL before the first read */
    uint64_t          start, chunk_size;
    uint8_t           tag[PROG_HASH_SIZE];
};

/* Lists have ids in a separate domain, so contents of different levels never share one. */
static void set_tag(versions_entry_reader *r, const versions_version *v, const versions_entry *e)
{
    dx_cas_id id;
    if (e->node && e->node->level == DX_TREE_INLINE) {
        dx_cas_hash(e->node->data, (size_t)e->size, &id);
        memcpy(r->tag, id.bytes, sizeof r->tag);
    } else if (e->node) {
        memcpy(r->tag, e->node->id, sizeof r->tag);
    } else { /* identify the content, and the file in it */
        uint8_t bytes[PROG_HASH_SIZE + 16];
        memcpy(bytes, v->root, PROG_HASH_SIZE);
        for (int i = 0; i < 8; i++) {
            bytes[PROG_HASH_SIZE + i] = (uint8_t)(e->offset >> (8 * i) & 0xff);
            bytes[PROG_HASH_SIZE + 8 + i] = (uint8_t)(e->size >> (8 * i) & 0xff);
        }
        dx_cas_hash(bytes, sizeof bytes, &id);
        memcpy(r->tag, id.bytes, sizeof r->tag);
    }
}

int versions_entry_reader_open(versions_entry_reader **out, versions_store *s,
                               const versions_version *v, const versions_entry *e)
{
    versions_entry_reader *r = prog_alloc(sizeof *r);
    assert(e->type == DX_TREE_FILE);
    memset(r, 0, sizeof *r);
    r->size = e->size;
    r->offset = e->offset;
    set_tag(r, v, e);
    if (!e->node) {
        const int status = versions_content_open(&r->content, s, v);
        if (status) {
            free(r);
            return status;
        }
    } else if (e->node->level == DX_TREE_INLINE) {
        r->whole = true;
        r->chunk = prog_alloc(DX_TREE_INLINE_MAX);
        r->chunk_size = e->size;
        assert(e->size <= DX_TREE_INLINE_MAX);
        memcpy(r->chunk, e->node->data, (size_t)e->size);
    } else {
        versions_parts_open(&r->parts, s, e->node);
    }
    r->store = s;
    versions_store_hold(s);
    *out = r;
    return PROG_OK;
}

/* Load the chunk that holds the byte at offset. */
static int load_chunk(versions_entry_reader *r, uint64_t offset)
{
    const uint8_t *id;
    assert(!r->whole);
    if (!r->chunk) r->chunk = prog_alloc(VERSIONS_CHUNK_MAX);
    r->chunk_size = 0;
    int status = versions_parts_find(&r->parts, offset, &id, &r->start, &r->chunk_size);
    if (!status)
        status = versions_parts_read(r->store, id, r->chunk_size, r->chunk, VERSIONS_CHUNK_MAX);
    if (status) r->chunk_size = 0;
    return status;
}

int versions_entry_reader_read(versions_entry_reader *r, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    assert(offset <= r->size && size <= r->size - offset);
    if (r->content) return versions_content_read(r->content, r->offset + offset, out, size);
    while (size) {
        if (offset < r->start || offset - r->start >= r->chunk_size) {
            const int status = load_chunk(r, offset);
            if (status) return status;
        }
        const uint64_t left = r->chunk_size - (offset - r->start);
        const size_t n = size < left ? size : (size_t)left;
        memcpy(to, r->chunk + (offset - r->start), n);
        to += n;
        offset += n;
        size -= n;
    }
    return PROG_OK;
}

void versions_entry_reader_tag(const versions_entry_reader *r, uint8_t tag[PROG_HASH_SIZE])
{
    memcpy(tag, r->tag, PROG_HASH_SIZE);
}

void versions_entry_reader_close(versions_entry_reader *r)
{
    if (!r) return;
    versions_content_close(r->content);
    versions_parts_close(&r->parts);
    versions_store_close(r->store);
    free(r->chunk);
    free(r);
}
