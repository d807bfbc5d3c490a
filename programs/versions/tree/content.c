/* The content of any version as one stream of bytes: the chunks of a file (store/file.h), or the
   stream of a snapshot (stream.c). Also calculates and caches the hashes of such streams. */
#include "content.h"

#include "details.h"

#include "../store/file.h"
#include "tree.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct versions_content { /* exactly one of the three is open */
    versions_store       *store;  /* for the stream */
    versions_stream      *stream;
    versions_file_reader *file;
    uint8_t              *details;
    size_t                size;  /* of the details */
};

/* >>read --------------------------------------------------------------- */
static int open_stream(versions_content *c, versions_store *s, const versions_version *v)
{
    uint64_t size = 0;
    assert(v->snapshot && !c->file);
    int status = versions_stream_open(&c->stream, s, v->root, &size);
    if (status) return status;
    if (size != v->size) return prog_fail(PROG_DAMAGED, "%s is damaged", v->name);
    c->store = s;
    versions_store_hold(s);
    return PROG_OK;
}

static int open_details(versions_content *c, versions_store *s, const versions_version *v)
{
    assert(v->snapshot);
    if (!v->size) { /* details of size 0 */
        c->details = prog_alloc(1);
        return PROG_OK;
    }
    int status = versions_details_make(s, v->root, &c->details, &c->size);
    if (!status && c->size != v->size) status = prog_fail(PROG_DAMAGED, "%s is damaged", v->name);
    return status;
}

int versions_content_open(versions_content **out, versions_store *s, const versions_version *v)
{
    versions_content *c = prog_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    int status;
    if (v->details) status = open_details(c, s, v);
    else status = v->snapshot ? open_stream(c, s, v) : versions_file_reader_open(&c->file, s, v);
    if (status) versions_content_close(c);
    else *out = c;
    return status;
}

int versions_content_read(versions_content *c, uint64_t offset, void *out, size_t size)
{
    if (c->details) {
        assert(offset <= c->size && size <= c->size - offset);
        memcpy(out, c->details + offset, size);
        return PROG_OK;
    }
    assert(!c->stream != !c->file);
    if (c->stream) return versions_stream_read(c->stream, offset, out, size);
    return versions_file_reader_read(c->file, offset, out, size);
}

/* Details are in memory: their chunks are slices of it. */
static int details_chunk(const versions_content *c, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                         uint64_t *start, uint64_t *size)
{
    dx_cas_id hash;
    assert(offset < c->size);
    *start = offset - offset % PROG_IO_SIZE;
    *size = c->size - *start < PROG_IO_SIZE ? c->size - *start : PROG_IO_SIZE;
    dx_cas_hash(c->details + *start, (size_t)*size, &hash);
    memcpy(id, hash.bytes, PROG_HASH_SIZE);
    return PROG_OK;
}

int versions_content_chunk(versions_content *c, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                           uint64_t *start, uint64_t *size)
{
    if (c->details) return details_chunk(c, offset, id, start, size);
    assert(!c->stream != !c->file);
    if (c->stream) return versions_stream_chunk(c->stream, offset, id, start, size);
    return versions_file_reader_chunk(c->file, offset, id, start, size);
}

void versions_content_close(versions_content *c)
{
    if (!c) return;
    versions_stream_close(c->stream);
    versions_file_reader_close(c->file);
    free(c->details);
    versions_store_close(c->store);
    free(c);
}

int versions_content_stream(versions_store *s, const versions_version *v, versions_sink *sink,
                            void *user)
{
    versions_content *c;
    int status = versions_content_open(&c, s, v);
    if (status) return status;
    uint8_t *buffer = prog_alloc(PROG_IO_SIZE);
    for (uint64_t at = 0; !status && at < v->size;) {
        size_t n = v->size - at < PROG_IO_SIZE ? (size_t)(v->size - at) : PROG_IO_SIZE;
        status = versions_content_read(c, at, buffer, n);
        if (!status) status = sink(user, buffer, n);
        at += n;
        prog_progress(v->name, at, v->size, false);
    }
    prog_progress(NULL, 0, 0, true);
    free(buffer);
    versions_content_close(c);
    return status;
}

/* >>hash ---------------------------------------------------------------
   A version has the hash of its file. The hash of a snapshot's stream may be missing: publish skips it
   for large ones, because it requires reading everything. Calculated hashes are cached for all
   threads and handles. */
enum { KEPT_COUNT = 64 };

static struct {
    pthread_mutex_t lock;
    unsigned        next; /* the entry to overwrite next */
    struct {
        uint8_t root[PROG_HASH_SIZE];
        uint8_t hash[PROG_HASH_SIZE];
    } entries[KEPT_COUNT];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool has_hash(const versions_version *v)
{
    static const uint8_t zero[PROG_HASH_SIZE];
    return !v->snapshot || memcmp(v->hash, zero, sizeof zero) != 0;
}

static void find_kept(versions_version *v)
{
    pthread_mutex_lock(&kept.lock);
    for (unsigned i = 0; i < KEPT_COUNT; i++)
        if (!memcmp(kept.entries[i].root, v->root, PROG_HASH_SIZE))
            memcpy(v->hash, kept.entries[i].hash, PROG_HASH_SIZE);
    pthread_mutex_unlock(&kept.lock);
}

static void keep(const versions_version *v)
{
    assert(has_hash(v));
    pthread_mutex_lock(&kept.lock);
    memcpy(kept.entries[kept.next].root, v->root, PROG_HASH_SIZE);
    memcpy(kept.entries[kept.next].hash, v->hash, PROG_HASH_SIZE);
    kept.next = (kept.next + 1) % KEPT_COUNT;
    pthread_mutex_unlock(&kept.lock);
}

static int hash_bytes(void *user, const void *bytes, size_t size)
{
    dx_cas_blake3_update(user, bytes, size);
    return PROG_OK;
}

int versions_content_hash(versions_store *s, versions_version *v)
{
    dx_cas_blake3 hasher;
    if (has_hash(v)) return PROG_OK;
    find_kept(v);
    if (has_hash(v)) return PROG_OK;
    dx_cas_blake3_init(&hasher);
    int status = versions_content_stream(s, v, hash_bytes, &hasher);
    if (status) return status;
    dx_cas_blake3_final(&hasher, v->hash, sizeof v->hash);
    keep(v);
    return PROG_OK;
}

int versions_content_details(versions_store *s, versions_version *v)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    dx_cas_id id;
    assert(v->snapshot);
    int status = versions_details_make(s, v->root, &bytes, &size);
    if (status) return status;
    dx_cas_hash(bytes, size, &id);
    free(bytes);
    v->details = true;
    v->kind = PROG_FILE;
    v->mode = 0600;
    v->size = size;
    memcpy(v->hash, id.bytes, PROG_HASH_SIZE);
    return PROG_OK;
}

int versions_content_level(versions_store *s, const versions_version *v, uint8_t *level)
{
    dx_tree_list_view list;
    size_t size = 0;
    assert(v->kind == PROG_FILE && !v->snapshot);
    *level = 0;
    if (!memcmp(v->root, v->hash, PROG_HASH_SIZE)) return PROG_OK;
    uint8_t *bytes = prog_alloc(DX_TREE_LIST_SIZE_MAX);
    int status = versions_object_get(s, v->root, bytes, DX_TREE_LIST_SIZE_MAX, &size);
    if (!status && size) *level = bytes[0];
    if (!status && (!size || dx_tree_list_open(&list, bytes, size, *level, v->size)))
        status = prog_fail(PROG_DAMAGED, "%s is damaged", v->name);
    free(bytes);
    return status;
}

int versions_content_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out)
{
    int status = versions_version_find(s, name, version, out);
    return status ? status : versions_content_hash(s, out);
}

/* The newest version of exactly that name with this content. */
static int find_hash(versions_store *s, const char *name, const uint8_t hash[PROG_HASH_SIZE],
                     versions_version *out)
{
    versions_history history = {.begun = false};
    int status;
    while (!(status = versions_history_next(&history, s, name, out)))
        if (!versions_content_hash(s, out) && !memcmp(out->hash, hash, PROG_HASH_SIZE)) break;
    return status;
}

int versions_content_find_hash(versions_store *s, const char *name,
                               const uint8_t hash[PROG_HASH_SIZE], versions_version *out)
{
    char tagged[PROG_NAME_SIZE_MAX + 1];
    versions_version v;
    int status = find_hash(s, name, hash, out);
    if (status != PROG_NOT_FOUND || versions_version_find(s, name, 0, &v) || !v.tagged)
        return status;
    /* a tag may have pointed to any version of its name */
    snprintf(tagged, sizeof tagged, "%.*s", (int)(versions_tag_in(name) - name - 1), name);
    return find_hash(s, tagged, hash, out);
}
