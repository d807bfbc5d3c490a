/* A file as chunks. dx_cas cuts it with content-defined chunking, so an insertion changes only the
   chunks around it, and builds a tree of nodes above them. This file adds deltas: each new chunk is
   stored as a delta of the chunk at the same place in the previous version. */
#include "file.h"

#include "follow.h"
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct versions_file_reader {
    versions_store *store;
    dx_cas_reader   reader;
    void           *memory;
};

struct versions_file_writer {
    versions_store       *store;
    dx_cas_writer         writer;
    void                 *memory;
    versions_file_reader *old;  /* the previous version, or NULL */
    versions_follow       follow;
    dx_cas_id             found;  /* the result of find_chunk() */
    int                   status; /* why a chunk could not be stored */
    uint8_t              *packed; /* VERSIONS_OBJECT_MAX bytes: the chunk in progress, compressed */
};

/* >>reader ------------------------------------------------------------- */
/* Report an error; a missing object counts as damage. */
static int read_fail(versions_store *s, int error, const char *what)
{
    assert(error);
    return versions_store_fail(s, error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error, what);
}

int versions_file_reader_open(versions_file_reader **out, versions_store *s,
                              const versions_version *v)
{
    dx_cas_id root;
    size_t memory_size = dx_cas_reader_memory_size(0);
    versions_file_reader *r = prog_alloc(sizeof *r);
    assert(!v->snapshot);
    memset(r, 0, sizeof *r);
    memcpy(root.bytes, v->root, sizeof root.bytes);
    r->store = s;
    r->memory = prog_alloc(memory_size);
    int error = dx_cas_reader_open(&r->reader, &s->cas, &root, r->memory, memory_size);
    if (!error && r->reader.size != v->size) error = DX_CAS_ECORRUPT;
    if (error) {
        free(r->memory);
        free(r);
        return read_fail(s, error, v->name);
    }
    versions_store_hold(s);
    *out = r;
    return PROG_OK;
}

int versions_file_reader_read(versions_file_reader *r, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    assert(r->memory);
    int error = dx_cas_reader_read(&r->reader, offset, out, size, &got);
    if (!error && got != size) error = DX_CAS_ECORRUPT;
    return error ? read_fail(r->store, error, "the content") : PROG_OK;
}

int versions_file_reader_chunk(versions_file_reader *r, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                               uint64_t *start, uint64_t *size)
{
    dx_cas_id chunk;
    int error = dx_cas_reader_chunk(&r->reader, offset, &chunk, start, size);
    if (error) return read_fail(r->store, error, "the content");
    memcpy(id, chunk.bytes, PROG_HASH_SIZE);
    return PROG_OK;
}

void versions_file_reader_close(versions_file_reader *r)
{
    if (!r) return;
    versions_store_close(r->store);
    free(r->memory);
    free(r);
}

/* >>writer ------------------------------------------------------------- */
/* Callback of versions_follow: find the chunk of the previous version that holds the byte at offset. */
static int find_chunk(void *user, uint64_t offset, const uint8_t **id, uint64_t *start,
                      uint64_t *size)
{
    versions_file_writer *w = user;
    assert(w->old);
    *id = w->found.bytes;
    return dx_cas_reader_chunk(&w->old->reader, offset, &w->found, start, size);
}

/* Callback of dx_cas: store a chunk, and return its id. */
static int put_chunk(void *user, uint64_t offset, const void *chunk, size_t size, dx_cas_id *id)
{
    versions_file_writer *w = user;
    versions_store *s = w->store;
    dx_cas_hash(chunk, size, id);
    if (versions_object_has(s, id->bytes, size)) {
        versions_follow_note(&w->follow, id->bytes, offset, size);
        return DX_CAS_OK;
    }
    const uint8_t *base = versions_follow_base(&w->follow, offset, size);
    if (!base || size < 2) return dx_cas_put(&s->cas, chunk, size, id);
    size_t packed = s->packer ? versions_pack(s->packer, w->packed, size - 1, chunk, size) : 0;
    w->status = versions_object_put_packed(s, chunk, size, w->packed, packed, base, id->bytes);
    return w->status ? DX_CAS_ESYS : DX_CAS_OK;
}

/* Prepare deltas against the previous version. If it cannot be read, chunks are stored whole. */
static void follow_version(versions_file_writer *w, const versions_version *last)
{
    if (!last || last->snapshot || !last->size) return;
    if (!versions_object_has(w->store, last->root, 0) ||
        versions_file_reader_open(&w->old, w->store, last))
        return;
    w->follow = (versions_follow){.find = find_chunk, .user = w, .whole = last->size};
}

/* Print an error of the writer, unless put_chunk() has printed one. */
static int write_fail(versions_file_writer *w, int error)
{
    assert(error);
    return w->status ? w->status : versions_store_fail(w->store, error, w->store->path);
}

int versions_file_writer_open(versions_file_writer **out, versions_store *s,
                              const versions_version *last)
{
    dx_cas_writer_desc desc = {0};
    versions_file_writer *w = prog_alloc(sizeof *w);
    memset(w, 0, sizeof *w);
    w->store = s;
    desc.store = &s->cas;
    desc.put = put_chunk;
    desc.user = w;
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    w->memory = prog_alloc(desc.memory_size);
    desc.memory = w->memory;
    w->packed = prog_alloc(VERSIONS_OBJECT_MAX);
    follow_version(w, last);
    int error = dx_cas_writer_begin(&w->writer, &desc);
    if (error) {
        versions_file_writer_close(w);
        return versions_store_fail(s, error, s->path);
    }
    *out = w;
    return PROG_OK;
}

int versions_file_writer_write(versions_file_writer *w, const void *bytes, size_t size)
{
    assert(!w->status);
    int error = dx_cas_writer_write(&w->writer, bytes, size, NULL);
    return error ? write_fail(w, error) : PROG_OK;
}

int versions_file_writer_finish(versions_file_writer *w, versions_version *out)
{
    dx_cas_content content;
    assert(!w->status);
    int error = dx_cas_writer_finish(&w->writer, &content);
    if (error) return write_fail(w, error);
    memcpy(out->root, content.root.bytes, sizeof out->root);
    memcpy(out->hash, content.content.bytes, sizeof out->hash);
    out->size = content.size;
    return PROG_OK;
}

void versions_file_writer_close(versions_file_writer *w)
{
    if (!w) return;
    versions_file_reader_close(w->old);
    free(w->packed);
    free(w->memory);
    free(w);
}
