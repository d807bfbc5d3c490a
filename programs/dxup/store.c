/* The store: a directory with one dx_cas log (`objects`), its checkpoint (`index`) and a lock. Publish, log, checkout, verify, gc. */
#include "codec.h"
#include "follow.h"
#include "similar.h"
#include "store.h"
#include "trees.h"

#include "../../dx_cas.h"

#include "../common/os.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct dxup_store {
    dx_cas_store cas;
    dx_cas_file  file, index;
    dx_cas_codec codecs[2];
    dx_cas_delta delta;
    dx_cas_delta_coder coders[3];
    void        *delta_memory;
    dxup_packer *packer;
    dxup_differ *differ;
    const void  *packed_of, *packed; /* an object that is packed already */
    size_t       packed_size;
    void        *memory, *next_memory; /* of the index; the next one while it grows */
    int          lock_fd; /* or -1: a reader */
    unsigned     holders; /* this handle and what was opened from it */
    char         path[DXUP_PATH_SIZE_MAX + 1]; /* of the directory */
    char         objects[DXUP_PATH_SIZE_MAX + 32], index_path[DXUP_PATH_SIZE_MAX + 32];
    bool         has_index;
};

struct dxup_content {
    dxup_store   *store;
    dxup_stream  *stream; /* of a snapshot; else the reader */
    dx_cas_reader reader;
    void         *memory;
};

/* >>errors ------------------------------------------------------------- */
static int cas_fail(dxup_store *s, int error, const char *what)
{
    char text[64];
    uint64_t offset = dx_cas_damage_offset(&s->cas);
    switch (error) {
    case DX_CAS_ENOTFOUND: return dxup_fail(DXUP_NOT_FOUND, "%s: not there", what);
    case DX_CAS_ELOCKED:
        return dxup_fail(DXUP_REFUSED, "%s is being written by another process", what);
    case DX_CAS_EREADONLY:
    case DX_CAS_ECORRUPT:
    case DX_CAS_EBASE:
    case DX_CAS_ETRUNCATED:
        if (offset == UINT64_MAX) return dxup_fail(DXUP_DAMAGED, "%s is damaged", what);
        return dxup_fail(DXUP_DAMAGED, "%s is damaged at byte %s of %s; dxup verify tells more",
                         what, dxup_count_text(offset, text), s->objects);
    case DX_CAS_ENOTSUP:
        return dxup_fail(DXUP_SYSTEM, "%s holds zstd data, and this dxup was built without zstd",
                         what);
    case DX_CAS_ENOSPACE: return dxup_fail(DXUP_SYSTEM, "%s: no space left on the device", what);
    case DX_CAS_ESYS:
        if (s->file.system_error)
            return dxup_fail(DXUP_SYSTEM, "%s: %s", what, os_cas_error_text(s->file.system_error));
        break;
    case DX_CAS_EINVAL: return dxup_fail(DXUP_USAGE, "%s: not a valid name", what);
    case DX_CAS_EFAILED:
        return dxup_fail(DXUP_SYSTEM, "%s: writing failed before, so nothing more is written", what);
    default: break;
    }
    return dxup_fail(DXUP_SYSTEM, "%s: %s", what, dx_cas_error_name(error));
}

/* >>open --------------------------------------------------------------- */
static int pack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *got)
{
    dxup_store *s = user;
    if (in != s->packed_of) {
        *got = dxup_pack(s->packer, out, capacity, in, size);
    } else {
        *got = s->packed_size <= capacity ? s->packed_size : 0;
        memcpy(out, s->packed, *got);
    }
    return *got ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

static int unpack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *got)
{
    dxup_store *s = user;
    *got = dxup_unpack(s->packer, out, capacity, in, size);
    return *got ? DX_CAS_OK : DX_CAS_ECORRUPT;
}

/* dx_cas asks for a larger block, moves in, and gives the old one back. */
static void *grow_index(void *user, void *old, size_t size)
{
    dxup_store *s = user;
    if (size) return s->next_memory = malloc(size);
    if (old == s->memory) s->memory = s->next_memory;
    free(old);
    return NULL;
}

/* Of chunks of trees and of files. */
static dx_cas_codec describe_deltas(dxup_store *s)
{
    dx_cas_delta_desc desc = {.store = &s->cas, .coders = s->coders,
                              .object_size_max = DXUP_OBJECT_MAX};
    if (!s->differ) s->differ = dxup_differ_open();
    desc.coder_count = dxup_differ_coders(s->differ, s->coders);
    desc.memory_size = dx_cas_delta_memory_size(&desc);
    if (!s->delta_memory) s->delta_memory = dxup_alloc(desc.memory_size);
    desc.memory = s->delta_memory;
    dx_cas_delta_init(&s->delta, &desc);
    return dx_cas_delta_codec(&s->delta);
}

static dx_cas_desc describe(dxup_store *s, uint32_t mode)
{
    dx_cas_desc desc = {0};
    desc.device = dx_cas_file_device(&s->file);
    if (s->has_index) desc.checkpoint = dx_cas_file_device(&s->index);
    desc.mode = mode;
    desc.objects_max = 1024; /* grows */
    desc.grow = grow_index;
    desc.grow_user = s;
    if (!s->packer) s->packer = dxup_packer_open();
    if (s->packer)
        s->codecs[desc.codec_count++] = (dx_cas_codec){DXUP_CODEC_ZSTD, pack, unpack, s, NULL};
    s->codecs[desc.codec_count++] = describe_deltas(s);
    desc.codecs = s->codecs;
    desc.memory_size = dx_cas_memory_size(&desc);
    desc.memory = s->memory = dxup_alloc(desc.memory_size);
    if (mode & DX_CAS_CREATE && !os_random(desc.store_id, sizeof desc.store_id))
        memset(desc.store_id, 1, sizeof desc.store_id); /* an id that is no secret */
    return desc;
}


/* One writer: the lock is a file of its own because `objects` is replaced by gc. */
static int take_lock(dxup_store *s)
{
    char path[sizeof s->objects];
    snprintf(path, sizeof path, "%s/lock", s->path);
    s->lock_fd = os_open_lock(path);
    if (s->lock_fd >= 0) return DXUP_OK;
    if (errno == EWOULDBLOCK)
        return dxup_fail(DXUP_REFUSED, "%s is being written by another process", s->path);
    return dxup_fail_errno("%s", path);
}

static void close_files(dxup_store *s)
{
    dx_cas_file_close(&s->file);
    if (s->has_index) dx_cas_file_close(&s->index);
    s->has_index = false;
}

static int open_log(dxup_store *s, const char *objects, uint32_t mode)
{
    int error = dx_cas_file_open(&s->file, objects, mode);
    if (error) return cas_fail(s, error, s->path);
    /* Without a checkpoint all goes on, only slower. */
    s->has_index = !dx_cas_file_open(&s->index, s->index_path,
                                     mode & DX_CAS_WRITE ? mode | DX_CAS_CREATE : mode);
    dx_cas_desc desc = describe(s, mode);
    error = dx_cas_open(&s->cas, &desc);
    if (!error) return DXUP_OK;
    int status = cas_fail(s, error, s->path);
    free(s->memory);
    s->memory = NULL;
    close_files(s);
    return status;
}

/* What is left of a store whose log is not open. */
static void dispose(dxup_store *s)
{
    dxup_packer_close(s->packer);
    dxup_differ_close(s->differ);
    free(s->delta_memory);
    if (s->lock_fd >= 0) os_close(s->lock_fd);
    free(s);
}

static void release(dxup_store *s)
{
    if (--s->holders) return;
    dx_cas_close(&s->cas);
    close_files(s);
    free(s->memory);
    dispose(s);
}

/* A gc that was killed leaves its copy behind, and maybe the mark that this log is to be replaced by it. */
static int undo_gc(dxup_store *s)
{
    static const char *const names[] = {"objects.new", "index.new"};
    char path[sizeof s->objects];
    dx_cas_stats stats;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", s->path, names[i]);
        (void)os_remove(path); /* as a rule it is not there */
    }
    dx_cas_get_stats(&s->cas, &stats);
    int error = stats.retired ? dx_cas_commit(&s->cas) : DX_CAS_OK;
    return error ? cas_fail(s, error, s->path) : DXUP_OK;
}

int dxup_store_open(dxup_store **out, const char *path, enum dxup_store_mode mode)
{
    os_info info;
    size_t size = strlen(path);
    if (!size || size > DXUP_PATH_SIZE_MAX) return dxup_fail(DXUP_USAGE, "'%s': bad path", path);
    if (mode == DXUP_CREATE) {
        bool made = os_make_folder(path, 0777) == 0;
        if (!made && errno != EEXIST) return dxup_fail_errno("%s", path);
        int status = made ? dxup_sync_parent(path) : DXUP_OK;
        if (status) return status;
    }
    if (os_look(path, true, &info) < 0)
        return errno == ENOENT ? dxup_fail(DXUP_NOT_FOUND, "there is no store at %s", path)
                               : dxup_fail_errno("%s", path);
    if (info.kind != OS_FOLDER) return dxup_fail(DXUP_NOT_FOUND, "%s is not a store", path);
    dxup_store *s = dxup_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->lock_fd = -1;
    s->holders = 1;
    memcpy(s->path, path, size + 1);
    snprintf(s->objects, sizeof s->objects, "%s/objects", path);
    snprintf(s->index_path, sizeof s->index_path, "%s/index", path);
    int status = mode == DXUP_READ ? DXUP_OK : take_lock(s);
    if (!status)
        status = open_log(s, s->objects, mode == DXUP_READ     ? DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE
                                         : mode == DXUP_CREATE ? DX_CAS_WRITE | DX_CAS_CREATE
                                                               : DX_CAS_WRITE);
    if (!status && mode != DXUP_READ && (status = undo_gc(s)) != DXUP_OK) {
        release(s);
        return status;
    }
    if (!status) {
        *out = s;
        return DXUP_OK;
    }
    dispose(s);
    return status;
}

void dxup_store_close(dxup_store *s)
{
    if (s) release(s);
}

int dxup_store_refresh(dxup_store **store)
{
    dxup_store *s = *store, *fresh;
    dx_cas_stats stats;
    int error = dx_cas_refresh(&s->cas);
    if (error && error != DX_CAS_EMOVED && error != DX_CAS_EAGAIN) return cas_fail(s, error, s->path);
    dx_cas_get_stats(&s->cas, &stats);
    /* A gc that was killed retires a log and puts nothing in its place: then this one is the store still. */
    if (error != DX_CAS_EAGAIN && !(stats.retired && dx_cas_file_moved(&s->file, s->objects))) return DXUP_OK;
    int status = dxup_store_open(&fresh, s->path, DXUP_READ);
    if (status) return status;
    release(s);
    *store = fresh;
    return DXUP_OK;
}

/* >>names -------------------------------------------------------------- */
static void take_ref(dxup_version *v, const dx_cas_ref *ref)
{
    memset(v, 0, sizeof *v);
    memcpy(v->name, ref->name, sizeof v->name);
    v->version = ref->version;
    v->size = ref->size;
    v->time_ns = (int64_t)ref->time_ns;
    v->snapshot = ref->kind == DXUP_SNAPSHOT;
    v->kind = v->snapshot ? DXUP_TREE : (int)ref->kind;
    v->mode = ref->info_size >= 2 ? ref->info[0] | (unsigned)ref->info[1] << 8 : 0644;
    memcpy(v->root, ref->root.bytes, sizeof v->root);
    memcpy(v->hash, ref->content.bytes, sizeof v->hash);
}

static int stream_version(dxup_store *s, const dxup_version *v, dxup_sink *sink, void *user);

static int hash_bytes(void *user, const void *bytes, size_t size)
{
    dx_cas_blake3_update(user, bytes, size);
    return DXUP_OK;
}

/* The hash of a snapshot's stream takes reading all of it. It is kept: for any thread, any handle. */
static int hash_stream(dxup_store *s, dxup_version *v)
{
    enum { KEPT = 64 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct { uint8_t root[32], hash[32]; } kept[KEPT];
    static unsigned next;
    static const uint8_t zero[32];
    dx_cas_blake3 hasher;
    if (!v->snapshot || memcmp(v->hash, zero, 32) != 0) return DXUP_OK;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < KEPT; i++)
        if (!memcmp(kept[i].root, v->root, 32)) memcpy(v->hash, kept[i].hash, 32);
    pthread_mutex_unlock(&lock);
    if (memcmp(v->hash, zero, 32) != 0) return DXUP_OK;
    dx_cas_blake3_init(&hasher);
    int status = stream_version(s, v, hash_bytes, &hasher);
    if (status) return status;
    dx_cas_blake3_final(&hasher, v->hash, sizeof v->hash);
    pthread_mutex_lock(&lock);
    memcpy(kept[next].root, v->root, 32);
    memcpy(kept[next].hash, v->hash, 32);
    next = (next + 1) % KEPT;
    pthread_mutex_unlock(&lock);
    return DXUP_OK;
}

/* The same, with the hash only where it is known. */
static int find_version(dxup_store *s, const char *name, uint64_t version, dxup_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, version, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return DXUP_NOT_FOUND;
    if (error) return cas_fail(s, error, name);
    take_ref(out, &ref);
    return DXUP_OK;
}

int dxup_store_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out)
{
    int status = find_version(s, name, version, out);
    return status ? status : hash_stream(s, out);
}

int dxup_store_find_hash(dxup_store *s, const char *name, const uint8_t hash[DXUP_HASH_SIZE],
                         dxup_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, 0, &ref);
    while (!error) {
        take_ref(out, &ref);
        if (!hash_stream(s, out) && !memcmp(out->hash, hash, DXUP_HASH_SIZE)) return DXUP_OK;
        error = dx_cas_ref_previous(&s->cas, &ref);
    }
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return DXUP_NOT_FOUND;
    return cas_fail(s, error, name);
}

void dxup_split_version(const char *text, char name[DXUP_NAME_SIZE_MAX + 1], uint64_t *version)
{
    const char *at = strrchr(text, '@');
    size_t size = strlen(text);
    *version = 0;
    if (at && at != text && at[1] && strspn(at + 1, "0123456789") == strlen(at + 1)) {
        *version = strtoull(at + 1, NULL, 10);
        size = (size_t)(at - text);
    }
    snprintf(name, DXUP_NAME_SIZE_MAX + 1, "%.*s", (int)(size > 4096 ? 4096 : size), text);
}

/* >>objects ------------------------------------------------------------ */
int dxup_object_put(dxup_store *s, const void *data, size_t size, uint8_t id[DXUP_HASH_SIZE])
{
    dx_cas_id made;
    int error = dx_cas_put(&s->cas, data, size, &made);
    if (error) return cas_fail(s, error, s->path);
    memcpy(id, made.bytes, sizeof made.bytes);
    return DXUP_OK;
}

int dxup_object_put_like(dxup_store *s, const void *data, size_t size, const uint8_t base[32],
                         size_t limit, uint8_t id[DXUP_HASH_SIZE])
{
    dx_cas_id like, made;
    memcpy(like.bytes, base, sizeof like.bytes);
    int error = dx_cas_delta_put(&s->delta, data, size, &like, limit, &made);
    if (error) return cas_fail(s, error, s->path);
    memcpy(id, made.bytes, sizeof made.bytes);
    return DXUP_OK;
}

int dxup_object_put_packed(dxup_store *s, const void *data, size_t size, const void *packed,
                           size_t packed_size, const uint8_t *base, uint8_t id[DXUP_HASH_SIZE])
{
    s->packed_of = data;
    s->packed = packed;
    s->packed_size = packed_size;
    int status = base ? dxup_object_put_like(s, data, size, base, packed_size, id)
                      : dxup_object_put(s, data, size, id);
    s->packed_of = NULL;
    return status;
}

bool dxup_object_has(dxup_store *s, const uint8_t id[DXUP_HASH_SIZE], uint64_t size)
{
    dx_cas_id wanted;
    uint64_t is = 0;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    return !dx_cas_object_size(&s->cas, &wanted, &is) && (!size || is == size);
}

int dxup_object_get(dxup_store *s, const uint8_t id[DXUP_HASH_SIZE], void *out, size_t capacity,
                    size_t *size)
{
    dx_cas_id wanted;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    int error = dx_cas_get(&s->cas, &wanted, out, capacity, size);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_ENOSPACE) error = DX_CAS_ECORRUPT;
    return error ? cas_fail(s, error, "a snapshot") : DXUP_OK;
}

/* >>content ------------------------------------------------------------ */
static int open_stream(dxup_content *c, const dxup_version *v)
{
    uint64_t size = 0;
    int status = dxup_stream_open(&c->stream, c->store, v->root, &size);
    if (!status && size != v->size) status = cas_fail(c->store, DX_CAS_ECORRUPT, v->name);
    if (!status) return DXUP_OK;
    dxup_stream_close(c->stream);
    free(c);
    return status;
}

int dxup_content_open(dxup_content **out, dxup_store *s, const dxup_version *v)
{
    dx_cas_id root;
    size_t memory_size = dx_cas_reader_memory_size(0);
    dxup_content *c = dxup_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    memcpy(root.bytes, v->root, sizeof root.bytes);
    c->store = s;
    if (v->snapshot) {
        int status = open_stream(c, v);
        if (status) return status;
        s->holders++;
        *out = c;
        return DXUP_OK;
    }
    c->memory = dxup_alloc(memory_size);
    int error = dx_cas_reader_open(&c->reader, &s->cas, &root, c->memory, memory_size);
    if (!error && c->reader.size != v->size) error = DX_CAS_ECORRUPT;
    if (error) {
        free(c->memory);
        free(c);
        return cas_fail(s, error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error, v->name);
    }
    s->holders++;
    *out = c;
    return DXUP_OK;
}

static int content_failed(dxup_content *c, int error)
{
    if (!error) return DXUP_OK;
    return cas_fail(c->store, error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error,
                    "the content");
}

int dxup_content_read(dxup_content *c, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    if (c->stream) return dxup_stream_read(c->stream, offset, out, size);
    int error = dx_cas_reader_read(&c->reader, offset, out, size, &got);
    return content_failed(c, !error && got != size ? DX_CAS_ECORRUPT : error);
}

int dxup_content_chunk(dxup_content *c, uint64_t offset, uint8_t id[DXUP_HASH_SIZE],
                       uint64_t *start, uint64_t *size)
{
    dx_cas_id chunk;
    if (c->stream) return dxup_stream_chunk(c->stream, offset, id, start, size);
    int error = dx_cas_reader_chunk(&c->reader, offset, &chunk, start, size);
    memcpy(id, chunk.bytes, DXUP_HASH_SIZE);
    return content_failed(c, error);
}

void dxup_content_close(dxup_content *c)
{
    if (!c) return;
    dxup_stream_close(c->stream);
    release(c->store);
    free(c->memory);
    free(c);
}

/* Stream a whole version into a sink; buffer has DXUP_IO_SIZE bytes. */
static int stream_version(dxup_store *s, const dxup_version *v, dxup_sink *sink, void *user)
{
    dxup_content *c;
    int status = dxup_content_open(&c, s, v);
    if (status) return status;
    uint8_t *buffer = dxup_alloc(DXUP_IO_SIZE);
    for (uint64_t at = 0; !status && at < v->size;) {
        size_t n = v->size - at < DXUP_IO_SIZE ? (size_t)(v->size - at) : DXUP_IO_SIZE;
        status = dxup_content_read(c, at, buffer, n);
        if (!status) status = sink(user, buffer, n);
        at += n;
        dxup_progress(v->name, at, v->size, false);
    }
    dxup_progress(NULL, 0, 0, true);
    free(buffer);
    dxup_content_close(c);
    return status;
}

/* >>publish ------------------------------------------------------------ */
typedef struct publication {
    dxup_store   *store;
    dx_cas_writer writer;
    const char   *name;
    uint64_t      done;
    dxup_content *old; /* the version before, or NULL */
    dxup_follow   follow;
    dx_cas_id     found;
    int           status; /* why a chunk could not be put */
    uint8_t      *packed;
} publication;

/* >>deltas of the version before ---- */
static int find_chunk(void *user, uint64_t offset, const uint8_t **id, uint64_t *start, uint64_t *size)
{
    publication *p = user;
    *id = p->found.bytes;
    return dx_cas_reader_chunk(&p->old->reader, offset, &p->found, start, size);
}

static void follow_version(publication *p, int kind)
{
    dxup_version last;
    if (find_version(p->store, p->name, 0, &last) || last.kind != kind || last.snapshot || !last.size) return;
    if (!dx_cas_has(&p->store->cas, (const dx_cas_id *)(const void *)last.root) &&
        !dxup_content_open(&p->old, p->store, &last))
        p->follow = (dxup_follow){find_chunk, p, last.size, 0};
}

static int put_chunk(void *user, uint64_t offset, const void *chunk, size_t size, dx_cas_id *id)
{
    publication *p = user;
    dxup_store *s = p->store;
    dx_cas_hash(chunk, size, id);
    if (dxup_object_has(s, id->bytes, size)) {
        dxup_follow_note(&p->follow, id->bytes, offset, size);
        return DX_CAS_OK;
    }
    const uint8_t *base = dxup_follow_base(&p->follow, offset, size);
    if (!base || size < 2) return dx_cas_put(&s->cas, chunk, size, id);
    size_t packed = s->packer ? dxup_pack(s->packer, p->packed, size - 1, chunk, size) : 0;
    p->status = dxup_object_put_packed(s, chunk, size, p->packed, packed, base, id->bytes);
    return p->status ? DX_CAS_ESYS : DX_CAS_OK;
}

static int publish_bytes(void *user, const void *bytes, size_t size)
{
    publication *p = user;
    int error = dx_cas_writer_write(&p->writer, bytes, size, NULL);
    if (error) return p->status ? p->status : cas_fail(p->store, error, p->store->path);
    p->done += size;
    dxup_progress(p->name, p->done, 0, false);
    return DXUP_OK;
}

static int store_content(publication *p, const char *path, int kind, dx_cas_content *content)
{
    dx_cas_writer_desc desc = {0};
    desc.store = &p->store->cas;
    desc.put = put_chunk;
    desc.user = p;
    follow_version(p, kind);
    p->packed = dxup_alloc(DXUP_OBJECT_MAX);
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    desc.memory = dxup_alloc(desc.memory_size);
    int error = dx_cas_writer_begin(&p->writer, &desc);
    int status = error ? cas_fail(p->store, error, p->store->path)
                       : dxup_image_read(path, kind, publish_bytes, p);
    if (!status) {
        error = dx_cas_writer_finish(&p->writer, content);
        if (error) status = p->status ? p->status : cas_fail(p->store, error, p->store->path);
    }
    dxup_progress(NULL, 0, 0, true);
    dxup_content_close(p->old);
    free(p->packed);
    free(desc.memory);
    return status;
}

static int name_version(publication *p, const char *name, int kind, unsigned mode,
                        const dx_cas_content *content, uint64_t *version)
{
    dx_cas_ref ref = {0};
    snprintf(ref.name, sizeof ref.name, "%s", name);
    ref.root = content->root;
    ref.content = content->content;
    ref.size = content->size;
    ref.time_ns = (uint64_t)dxup_time_ns();
    ref.kind = (uint32_t)kind;
    ref.info_size = 2;
    ref.info[0] = (uint8_t)(mode & 0xff);
    ref.info[1] = (uint8_t)(mode >> 8);
    int error = dx_cas_ref_set(&p->store->cas, &ref, DX_CAS_ANY_VERSION, version);
    if (error) return cas_fail(p->store, error, name);
    error = dx_cas_commit(&p->store->cas);
    return error ? cas_fail(p->store, error, p->store->path) : DXUP_OK;
}

/* What is published, whatever it is. */
typedef struct outcome {
    dx_cas_content content;
    dxup_published tree;
    bool           snapshot;
} outcome;

/* Of a single file; the other names that it may have were not published. */
static void count_file_losses(const char *path, dxup_losses *lost)
{
    os_info info;
    if (os_look(path, true, &info) < 0) return; /* it was read a moment ago, and is gone */
    lost->bits += info.special;
    lost->holes += info.thin && os_has_holes_in(-1, path);
}

static void warn_of_losses(const char *path, const dxup_losses *lost)
{
    char count[32];
    if (lost->bits)
        dxup_warn("%s: not kept: setuid, setgid and sticky bits (of %s)", path, dxup_count_text(lost->bits, count));
    if (lost->names)
        dxup_warn("%s: not kept: hard links (%s names; each becomes a file of its own)", path,
                  dxup_count_text(lost->names, count));
    if (lost->holes)
        dxup_warn("%s: not kept: holes (in %s; they are filled with zeros)", path, dxup_count_text(lost->holes, count));
}

static int store_anything(publication *p, const dxup_options *o, int kind, dxup_seen *seen,
                          outcome *out)
{
#ifndef DXUP_NO_SNAPSHOTS
    if (kind == DXUP_TREE) {
        dxup_version last;
        bool has_last = !find_version(p->store, p->name, 0, &last) && last.snapshot;
        int status = dxup_tree_publish(p->store, o, has_last ? last.root : NULL, seen, &out->tree);
        out->snapshot = true;
        memcpy(out->content.root.bytes, out->tree.root, sizeof out->tree.root);
        out->content.size = out->tree.size;
        return status;
    }
#endif
    (void)seen;
    if (kind == DXUP_FILE) count_file_losses(o->path, &out->tree.lost);
    return store_content(p, o->path, kind, &out->content);
}

/* A new version, unless the last one is the same. *last: that one. */
static int name_outcome(publication *p, int kind, unsigned mode, outcome *out, dxup_version *last,
                        uint64_t *version)
{
    int status = find_version(p->store, p->name, 0, last);
    if (status && status != DXUP_NOT_FOUND) return status;
    if (!status && last->kind == kind && last->mode == mode && last->snapshot == out->snapshot &&
        (out->snapshot ? !memcmp(last->root, out->tree.root, DXUP_HASH_SIZE)
                       : !memcmp(last->hash, out->content.content.bytes, DXUP_HASH_SIZE)))
        return DXUP_OK;
    if (out->snapshot && out->content.size <= DXUP_EAGER_MAX) {
        dxup_version v = {.size = out->content.size, .kind = kind, .snapshot = true};
        memcpy(v.root, out->tree.root, sizeof v.root);
        status = hash_stream(p->store, &v);
        if (status && status != DXUP_NOT_FOUND) return status;
        memcpy(out->content.content.bytes, v.hash, sizeof v.hash);
    }
    return name_version(p, p->name, out->snapshot ? DXUP_SNAPSHOT : kind, mode, &out->content,
                        version);
}

/* So that the next one opens the store at once. A failure is no failure of the publish. */
static void keep_index(dxup_store *s)
{
    if (s->has_index) (void)dx_cas_checkpoint(&s->cas);
}

static int publish_into(dxup_store *s, const dxup_options *o, int kind, unsigned mode)
{
    publication p = {.store = s, .name = o->name};
    dxup_seen *seen = NULL;
    dx_cas_stats before, after;
    outcome out = {0};
    dxup_version last;
    uint64_t version = 0;
    char size[32], added[32], files[32], read[32];
    dx_cas_get_stats(&s->cas, &before);
#ifndef DXUP_NO_SNAPSHOTS
    if (kind == DXUP_TREE) seen = dxup_seen_open(s->path, o->name);
#endif
    int status = store_anything(&p, o, kind, seen, &out);
    if (!status) status = name_outcome(&p, kind, mode, &out, &last, &version);
    if (!status) keep_index(s);
#ifndef DXUP_NO_SNAPSHOTS
    if (!status && seen) dxup_seen_save(seen, out.tree.root);
    dxup_seen_close(seen);
#endif
    if (!status) warn_of_losses(o->path, &out.tree.lost);
    if (status || o->quiet) return status;
    dx_cas_get_stats(&s->cas, &after);
    dxup_count_text(out.content.size, size);
    dxup_count_text(after.device_bytes - before.device_bytes, added);
    if (version) dxup_say("%s@%llu published: %s bytes, the store grew by %s", o->name,
                        (unsigned long long)version, size, added);
    else dxup_say("%s@%llu is unchanged: %s bytes, nothing added", o->name,
                (unsigned long long)last.version, size);
    if (out.snapshot) dxup_say("; %s of %s files were read", dxup_count_text(out.tree.read_files, read),
                             dxup_count_text(out.tree.files, files));
    dxup_say("\n");
    return DXUP_OK;
}

int dxup_publish(const dxup_options *o)
{
    dxup_store *s;
    int kind;
    unsigned mode;
    uint64_t version;
    char name[DXUP_NAME_SIZE_MAX + 1];
    dxup_split_version(o->name, name, &version);
    if (version || strlen(o->name) > DXUP_NAME_SIZE_MAX || !*o->name)
        return dxup_fail(DXUP_USAGE, "'%s' cannot be a name", o->name);
    int status = dxup_image_stat(o->path, &kind, &mode);
    if (status == DXUP_NOT_FOUND) return dxup_fail(status, "%s: no such file", o->path);
    if (!status) status = dxup_store_open(&s, o->store, DXUP_CREATE);
    if (status) return status;
    status = publish_into(s, o, kind, mode);
    dxup_store_close(s);
    return status;
}

/* >>log ---------------------------------------------------------------- */
static void print_version(const dxup_version *v)
{
    char size[32], hash[65], when[32];
    os_time_text(v->time_ns, when);
    dxup_say("%-24s @%-5llu %s %15s  %s  %s\n", v->name, (unsigned long long)v->version,
           v->kind == DXUP_TREE ? "tree" : "file", dxup_count_text(v->size, size), when,
           dxup_hash_text(v->snapshot ? v->root : v->hash, hash));
}

static int compare_versions(const void *a, const void *b)
{
    return strcmp(((const dxup_version *)a)->name, ((const dxup_version *)b)->name);
}

/* The latest version of every name, sorted; the caller frees *list. */
static int list_names(dxup_store *s, dxup_version **list, size_t *count)
{
    dx_cas_ref ref;
    uint64_t cursor = 0;
    size_t room = 0;
    int error;
    *list = NULL;
    *count = 0;
    while (!(error = dx_cas_ref_next(&s->cas, &cursor, &ref))) {
        if (*count == room) {
            room = room * 2 + 16;
            *list = realloc(*list, room * sizeof **list);
            if (!*list) abort();
        }
        take_ref(&(*list)[(*count)++], &ref);
    }
    if (*count) qsort(*list, *count, sizeof **list, compare_versions);
    return error == DX_CAS_ENOTFOUND ? DXUP_OK : cas_fail(s, error, s->path);
}

static int log_name(dxup_store *s, const char *name)
{
    dx_cas_ref ref;
    dxup_version v;
    int error = dx_cas_ref_get(&s->cas, name, 0, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL)
        return dxup_fail(DXUP_NOT_FOUND, "%s has no '%s'", s->path, name);
    while (!error) {
        take_ref(&v, &ref);
        print_version(&v);
        error = dx_cas_ref_previous(&s->cas, &ref);
    }
    return error == DX_CAS_ENOTFOUND ? DXUP_OK : cas_fail(s, error, name);
}

int dxup_log(const dxup_options *o)
{
    dxup_store *s;
    dxup_version *list = NULL;
    size_t count = 0;
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    if (o->name) {
        status = log_name(s, o->name);
    } else {
        status = list_names(s, &list, &count);
        for (size_t i = 0; i < count; i++) print_version(&list[i]);
        free(list);
    }
    dxup_store_close(s);
    return status;
}

/* >>checkout ----------------------------------------------------------- */
typedef struct checkout {
    dxup_dest     dest;
    dx_cas_blake3 hasher;
} checkout;

static int checkout_bytes(void *user, const void *bytes, size_t size)
{
    checkout *c = user;
    dx_cas_blake3_update(&c->hasher, bytes, size);
    return dxup_dest_write(&c->dest, bytes, size);
}

static int checkout_version(dxup_store *s, const dxup_version *v, const char *path)
{
    uint8_t hash[DXUP_HASH_SIZE];
    checkout *c = dxup_alloc(sizeof *c);
    int status = dxup_dest_open(&c->dest, path, v->kind, v->mode, NULL);
    if (status) {
        free(c);
        return status;
    }
    dx_cas_blake3_init(&c->hasher);
    status = stream_version(s, v, checkout_bytes, c);
    dx_cas_blake3_final(&c->hasher, hash, sizeof hash);
    if (!status && !v->snapshot && memcmp(hash, v->hash, sizeof hash) != 0)
        status = dxup_fail(DXUP_DAMAGED, "%s@%llu does not have its hash", v->name,
                           (unsigned long long)v->version);
    if (!status) status = dxup_dest_commit(&c->dest);
    dxup_dest_abandon(&c->dest);
    free(c);
    return status;
}

static int checkout_any(dxup_store *s, const dxup_version *v, const dxup_options *o)
{
#ifndef DXUP_NO_SNAPSHOTS
    if (v->snapshot) {
        dxup_dest *dest = dxup_alloc(sizeof *dest);
        int status = dxup_dest_open(dest, o->path, v->kind, v->mode, NULL);
        if (!status) {
            status = dxup_tree_restore(s, o->store, v->root, dest, o->workers);
            if (!status) status = dxup_dest_commit(dest);
            dxup_dest_abandon(dest);
        }
        free(dest);
        return status;
    }
#endif
    return checkout_version(s, v, o->path);
}

static int check_replaced(const dxup_options *o)
{
    if (o->force || !dxup_has_entries(o->path)) return DXUP_OK;
    return dxup_fail(DXUP_REFUSED, "%s is a directory with content; --force replaces it", o->path);
}

int dxup_checkout(const dxup_options *o)
{
    dxup_store *s;
    dxup_version v;
    uint64_t version;
    char name[DXUP_NAME_SIZE_MAX + 1], size[32], hash[65];
    dxup_split_version(o->name, name, &version);
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    status = find_version(s, name, version, &v);
    if (status == DXUP_NOT_FOUND) dxup_fail(status, "%s has no '%s'", o->store, o->name);
    if (!status) status = check_replaced(o);
    if (!status) status = checkout_any(s, &v, o);
    if (!status && !o->quiet)
        dxup_say("%s@%llu checked out to %s: %s bytes, BLAKE3 %s verified\n", v.name,
               (unsigned long long)v.version, o->path, dxup_count_text(v.size, size),
               dxup_hash_text(v.snapshot ? v.root : v.hash, hash));
    dxup_store_close(s);
    return status;
}

/* >>verify ------------------------------------------------------------- */
static int print_damage(void *user, const dx_cas_damage *damage)
{
    static const char *const kinds[] = {"?", "store header", "record", "object", "version of a name",
                                        "padding", "commit", "missing object", "unknown codec",
                                        "index", "commit that the index knows and the log has lost: the index"};
    char offset[32], hash[65];
    if (damage->kind == DX_CAS_DAMAGE_INDEX && !damage->size) { /* as a publish that was cut off leaves it */
        dxup_say("the index ends at byte %s, the next publish goes on there\n", dxup_count_text(damage->offset, offset));
        ++*(uint64_t *)user;
        return 0;
    }
    bool has_id = damage->kind == DX_CAS_DAMAGE_OBJECT || damage->kind == DX_CAS_DAMAGE_MISSING;
    dx_cas_id_to_hex(&damage->id, hash);
    dxup_say("damaged: %s at byte %s%s%s\n",
           damage->kind < sizeof kinds / sizeof *kinds ? kinds[damage->kind] : "?",
           dxup_count_text(damage->offset, offset), has_id ? ", id " : "", has_id ? hash : "");
    return 0;
}

static int discard(void *user, const void *bytes, size_t size)
{
    (void)user;
    (void)bytes;
    (void)size;
    return DXUP_OK;
}

/* After damage was found: which versions are whole? */
static void judge_versions(dxup_store *s)
{
    dxup_version *list, v;
    size_t count;
    if (list_names(s, &list, &count)) return;
    for (size_t i = 0; i < count; i++) {
        dx_cas_ref ref;
        int error = dx_cas_ref_get(&s->cas, list[i].name, 0, &ref);
        for (; !error; error = dx_cas_ref_previous(&s->cas, &ref)) {
            take_ref(&v, &ref);
            dxup_say("%s@%llu is %s\n", v.name, (unsigned long long)v.version,
                   stream_version(s, &v, discard, NULL) ? "damaged" : "whole");
        }
        if (error != DX_CAS_ENOTFOUND) dxup_say("%s: older versions cannot be listed\n", list[i].name);
    }
    free(list);
}

/* Every snapshot is well formed, and has all that it needs. */
static int is_there(void *user, const uint8_t id[32])
{
    return dxup_object_has(user, id, 0) ? DXUP_OK : DXUP_DAMAGED;
}

static int check_snapshots(dxup_store *s, uint64_t *damaged)
{
    dxup_version *list, v;
    dxup_known known = {0};
    size_t count;
    int status = list_names(s, &list, &count);
    for (size_t i = 0; !status && i < count; i++) {
        dx_cas_ref ref;
        int error = dx_cas_ref_get(&s->cas, list[i].name, 0, &ref);
        for (; !error; error = dx_cas_ref_previous(&s->cas, &ref)) {
            take_ref(&v, &ref);
            if (!v.snapshot || !dxup_snapshot_visit(s, v.root, &known, is_there, s)) continue;
            dxup_say("%s@%llu is damaged: something that it needs is missing or malformed\n", v.name,
                   (unsigned long long)v.version);
            ++*damaged;
        }
        if (error != DX_CAS_ENOTFOUND) status = cas_fail(s, error, list[i].name);
    }
    if (!status) free(list);
    dxup_known_free(&known);
    return status;
}

int dxup_verify(const dxup_options *o)
{
    dxup_store *s;
    dx_cas_report report;
    char objects[32], bytes[32];
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    uint64_t damaged = 0, hints = 0;
    int error = dx_cas_verify(&s->cas, print_damage, &hints, &report);
    report.damaged -= hints;
    if (error == DX_CAS_ECORRUPT && !report.damaged) error = DX_CAS_OK;
    status = error ? DXUP_OK : check_snapshots(s, &damaged);
    if (status || damaged) {
        if (!status) status = dxup_fail(DXUP_DAMAGED, "%s: %llu versions are damaged", o->store,
                                        (unsigned long long)damaged);
    } else if (error && error != DX_CAS_ECORRUPT) {
        status = cas_fail(s, error, o->store);
    } else if (error) {
        judge_versions(s);
        status = dxup_fail(DXUP_DAMAGED, "%s: %llu places are damaged", o->store,
                           (unsigned long long)report.damaged);
    } else if (!o->quiet) {
        dxup_say("%s is sound: %s objects, %llu versions, %llu commits, %s bytes read and hashed\n",
               o->store, dxup_count_text(report.objects, objects),
               (unsigned long long)report.refs, (unsigned long long)report.commits,
               dxup_count_text(report.bytes, bytes));
    }
    dxup_store_close(s);
    return status;
}

/* >>gc ----------------------------------------------------------------- */
static int trim_names(dxup_store *s, uint64_t keep)
{
    dxup_version *list;
    size_t count;
    int status = keep ? list_names(s, &list, &count) : DXUP_OK;
    if (status || !keep) return status;
    for (size_t i = 0; !status && i < count; i++) {
        if (list[i].version <= keep) continue;
        int error = dx_cas_ref_trim(&s->cas, list[i].name, list[i].version - keep + 1);
        if (error) status = cas_fail(s, error, list[i].name);
    }
    free(list);
    if (status) return status;
    int error = dx_cas_commit(&s->cas);
    return error ? cas_fail(s, error, s->path) : DXUP_OK;
}

enum { PAIRS = 1 << 14, DEPTH = 16 };

/* dx_cas copies what it knows that names reach; what snapshots reach is copied before. */
typedef struct copy {
    dxup_store   *from, *to;
    dxup_similar *similar; /* or NULL: objects are copied as they are */
    uint8_t       bytes[DXUP_OBJECT_MAX], packed[DXUP_OBJECT_MAX];
    uint8_t       base[DXUP_OBJECT_MAX], delta[DXUP_OBJECT_MAX];
    /* By the base; a later pair takes the place of an earlier one, so ids that meet cost only room in the store. */
    struct { uint8_t base[DXUP_HASH_SIZE], of[DXUP_HASH_SIZE]; } pairs[PAIRS];
} copy;

/* A long row of deltas is for those that are small: what gains little would take the room of the versions to come. */
static size_t depth_of(dxup_store *s, const uint8_t id[32])
{
    dx_cas_id wanted, base;
    uint32_t depth;
    memcpy(wanted.bytes, id, 32);
    return dx_cas_delta_base(&s->delta, &wanted, &base, &depth) ? 0 : depth;
}

/* What it was a delta of, and what was one of it. The new versions come first here, so the latter is
   there more often. */
static unsigned find_relatives(copy *c, const uint8_t id[32], uint8_t ids[][DXUP_HASH_SIZE])
{
    dx_cas_id wanted, base;
    uint32_t depth, at = (id[0] | (uint32_t)id[1] << 8) % PAIRS;
    unsigned count = 0;
    if (!memcmp(c->pairs[at].base, id, 32)) memcpy(ids[count++], c->pairs[at].of, 32);
    memcpy(wanted.bytes, id, 32);
    if (dx_cas_delta_base(&c->from->delta, &wanted, &base, &depth)) return count;
    memcpy(ids[count++], base.bytes, 32);
    at = (base.bytes[0] | (uint32_t)base.bytes[1] << 8) % PAIRS;
    memcpy(c->pairs[at].base, base.bytes, 32);
    memcpy(c->pairs[at].of, id, 32);
    return count;
}

/* That of the objects which are like it from which it differs least; NULL: none. */
static const uint8_t *best_base(copy *c, const uint8_t of[32], size_t size, size_t packed_size,
                                uint8_t ids[][DXUP_HASH_SIZE])
{
    size_t base_size, whole = packed_size ? packed_size : size, best = whole;
    unsigned count = find_relatives(c, of, ids);
    count += dxup_similar_find(c->similar, c->bytes, size, ids + count);
    const uint8_t *id = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (!dxup_object_has(c->to, ids[i], 0)) continue;
        if (!c->to->packer && depth_of(c->to, ids[i]) < DEPTH) return ids[i]; /* nothing guesses without zstd */
        if (dxup_object_get(c->to, ids[i], c->base, sizeof c->base, &base_size)) continue;
        size_t guess = dxup_differ_guess(c->to->differ, c->delta, best, c->base, base_size, c->bytes, size);
        if (!guess || guess >= best || guess > whole - whole * depth_of(c->to, ids[i]) / DEPTH) continue;
        best = guess;
        id = ids[i];
    }
    return id;
}

/* An object as what differs from one that is like it, whatever it was before. */
static int repack_object(copy *c, const uint8_t id[32], size_t size)
{
    uint8_t ids[DXUP_SIMILAR_MOST + 2][DXUP_HASH_SIZE], made[DXUP_HASH_SIZE];
    int status = dxup_object_get(c->from, id, c->bytes, sizeof c->bytes, &size);
    if (status) return status;
    size_t packed = c->to->packer && size > 1 ? dxup_pack(c->to->packer, c->packed, size - 1, c->bytes, size) : 0;
    const uint8_t *base = best_base(c, id, size, packed, ids);
    status = dxup_object_put_packed(c->to, c->bytes, size, c->packed, packed, base, made);
    if (!status) dxup_similar_add(c->similar, id);
    return status;
}

static int copy_object(void *user, const uint8_t id[32])
{
    copy *c = user;
    dx_cas_id wanted;
    uint64_t size = 0;
    if (dxup_object_has(c->to, id, 0)) return DXUP_OK;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    if (c->similar && !dx_cas_object_size(&c->from->cas, &wanted, &size) && size <= sizeof c->bytes)
        return repack_object(c, id, (size_t)size);
    int error = dx_cas_delta_copy(&c->from->delta, &wanted, &c->to->cas);
    if (error == DX_CAS_ENOTFOUND) error = DX_CAS_ECORRUPT;
    return error ? cas_fail(error == DX_CAS_ENOSPACE ? c->to : c->from, error, c->from->path)
                 : DXUP_OK;
}

/* The chunks of a file; its nodes are left to dx_cas. */
static int repack_file(copy *c, const dxup_version *v)
{
    dxup_content *content;
    uint8_t id[DXUP_HASH_SIZE];
    uint64_t start, size = 0;
    int status = dxup_content_open(&content, c->from, v);
    if (status) return status;
    for (uint64_t at = 0; !status && at < v->size; at = start + size) {
        status = dxup_content_chunk(content, at, id, &start, &size);
        if (!status && size <= sizeof c->bytes) status = copy_object(c, id);
    }
    dxup_content_close(content);
    return status;
}

static int copy_version(copy *c, const dx_cas_ref *ref, dxup_known *known)
{
    dxup_version v;
    if (ref->kind == DXUP_SNAPSHOT)
        return dxup_snapshot_visit(c->from, ref->root.bytes, known, copy_object, c);
    if (!c->similar) return DXUP_OK;
    take_ref(&v, ref);
    return repack_file(c, &v);
}

static int copy_snapshots(dxup_store *from, dxup_store *to, bool pack)
{
    dxup_version *list;
    dxup_known known = {0};
    size_t count;
    int status = list_names(from, &list, &count);
    if (status) return status;
    copy *c = dxup_alloc(sizeof *c);
    memset(c->pairs, 0, sizeof c->pairs);
    c->from = from;
    c->to = to;
    c->similar = pack ? dxup_similar_open() : NULL;
    if (pack) dxup_packer_try_hard(to->packer);
    if (pack) dxup_differ_try_hard(to->differ);
    for (size_t i = 0; !status && i < count; i++) {
        dx_cas_ref ref;
        int error = dx_cas_ref_get(&from->cas, list[i].name, 0, &ref);
        for (; !error && !status; error = dx_cas_ref_previous(&from->cas, &ref))
            status = copy_version(c, &ref, &known);
        if (!status && error != DX_CAS_ENOTFOUND) status = cas_fail(from, error, list[i].name);
    }
    dxup_similar_close(c->similar);
    free(c);
    free(list);
    dxup_known_free(&known);
    return status;
}

/* Copy into a new log, then rename it over the old one: killed at any moment, one of them is there. */
static int collect(dxup_store *s, bool pack, uint64_t *left)
{
    dx_cas_stats stats;
    dxup_store *fresh = dxup_alloc(sizeof *fresh);
    memset(fresh, 0, sizeof *fresh);
    fresh->lock_fd = -1;
    fresh->holders = 1;
    memcpy(fresh->path, s->path, sizeof fresh->path);
    snprintf(fresh->objects, sizeof fresh->objects, "%s/objects.new", s->path);
    snprintf(fresh->index_path, sizeof fresh->index_path, "%s/index.new", s->path);
    int status = dxup_remove_all(fresh->objects);
    if (!status) status = dxup_remove_all(fresh->index_path);
    if (!status) status = open_log(fresh, fresh->objects, DX_CAS_WRITE | DX_CAS_CREATE);
    if (status) {
        dispose(fresh);
        return status;
    }
    status = copy_snapshots(s, fresh, pack);
    int error = status ? DX_CAS_OK : dx_cas_copy_live(&s->cas, &fresh->cas);
    if (error) status = cas_fail(error == DX_CAS_ENOSPACE ? fresh : s, error, s->path);
    if (!status && (error = dx_cas_retire(&s->cas)) != 0) status = cas_fail(s, error, s->path);
    if (!status && s->has_index) { /* between the two renames it would know of commits that are not there */
        dx_cas_device index = dx_cas_file_device(&s->index);
        (void)index.truncate(index.user, 0);
    }
    if (!status && os_replace(-1, fresh->objects, s->objects, false) < 0) {
        status = dxup_fail_errno("%s", s->objects);
        (void)dx_cas_commit(&s->cas); /* it stays the store; should this fail, the next writer does it */
    }
    if (!status) status = dxup_sync_parent(s->objects);
    else os_remove(fresh->objects);
    if (!status) keep_index(fresh);
    if (status || os_replace(-1, fresh->index_path, s->index_path, false) < 0)
        os_remove(fresh->index_path);
    dx_cas_get_stats(&fresh->cas, &stats);
    *left = stats.device_bytes;
    release(fresh);
    return status;
}

int dxup_gc(const dxup_options *o)
{
    dxup_store *s;
    dx_cas_stats before;
    uint64_t left = 0;
    char was[32], is[32];
    int status = dxup_store_open(&s, o->store, DXUP_WRITE);
    if (status) return status;
    dx_cas_get_stats(&s->cas, &before);
    status = trim_names(s, o->keep);
    if (!status) status = collect(s, o->pack, &left);
    if (!status && !o->quiet)
        dxup_say("%s: %s bytes before, %s after\n", o->store,
               dxup_count_text(before.device_bytes, was), dxup_count_text(left, is));
    dxup_store_close(s);
    return status;
}
