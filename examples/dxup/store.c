/* The store: a directory with one dx_cas log (`objects`) and a lock. Publish, log, checkout, verify, gc. */
#include "store.h"

#include "../../dx_cas.h"

#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef DXUP_ZSTD_LIBRARY
#include <zstd.h>
#endif

struct dxup_store {
    dx_cas_store cas;
    dx_cas_file  file;
    dx_cas_codec codec;
    void        *memory, *next_memory; /* of the index; the next one while it grows */
    int          lock_fd; /* or -1: a reader */
    unsigned     holders; /* this handle and what was opened from it */
    char         path[DXUP_PATH_SIZE_MAX + 1]; /* of the directory */
    char         objects[DXUP_PATH_SIZE_MAX + 32];
};

struct dxup_content {
    dxup_store   *store;
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
    default: break;
    }
    return dxup_fail(DXUP_SYSTEM, "%s: %s", what, dx_cas_error_name(error));
}

/* >>open --------------------------------------------------------------- */
#ifdef DXUP_ZSTD_LIBRARY
static int zstd_compress(void *user, void *out, size_t capacity, const void *in, size_t size,
                         size_t *out_size)
{
    (void)user;
    *out_size = ZSTD_compress(out, capacity, in, size, 3);
    return ZSTD_isError(*out_size) ? DX_CAS_ENOSPACE : DX_CAS_OK;
}

static int zstd_decompress(void *user, void *out, size_t capacity, const void *in, size_t size,
                           size_t *out_size)
{
    (void)user;
    *out_size = ZSTD_decompress(out, capacity, in, size);
    return ZSTD_isError(*out_size) ? DX_CAS_ECORRUPT : DX_CAS_OK;
}
#endif

/* dx_cas asks for a larger block, moves in, and gives the old one back. */
static void *grow_index(void *user, void *old, size_t size)
{
    dxup_store *s = user;
    if (size) return s->next_memory = malloc(size);
    if (old == s->memory) s->memory = s->next_memory;
    free(old);
    return NULL;
}

static dx_cas_desc describe(dxup_store *s, uint32_t mode)
{
    dx_cas_desc desc = {0};
    desc.device = dx_cas_file_device(&s->file);
    desc.mode = mode;
    desc.objects_max = 1024; /* grows */
    desc.grow = grow_index;
    desc.grow_user = s;
#ifdef DXUP_ZSTD_LIBRARY
    s->codec = (dx_cas_codec){1, zstd_compress, zstd_decompress, NULL};
    desc.codecs = &s->codec;
    desc.codec_count = 1;
#endif
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

static int open_log(dxup_store *s, const char *objects, uint32_t mode)
{
    int error = dx_cas_file_open(&s->file, objects, mode);
    if (error) return cas_fail(s, error, s->path);
    dx_cas_desc desc = describe(s, mode);
    error = dx_cas_open(&s->cas, &desc);
    if (!error) return DXUP_OK;
    int status = cas_fail(s, error, s->path);
    free(s->memory);
    s->memory = NULL;
    dx_cas_file_close(&s->file);
    return status;
}

static void release(dxup_store *s)
{
    if (--s->holders) return;
    dx_cas_close(&s->cas);
    dx_cas_file_close(&s->file);
    free(s->memory);
    if (s->lock_fd >= 0) os_close(s->lock_fd);
    free(s);
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
    int status = mode == DXUP_READ ? DXUP_OK : take_lock(s);
    if (!status)
        status = open_log(s, s->objects, mode == DXUP_READ     ? DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE
                                         : mode == DXUP_CREATE ? DX_CAS_WRITE | DX_CAS_CREATE
                                                               : DX_CAS_WRITE);
    if (!status) {
        *out = s;
        return DXUP_OK;
    }
    if (s->lock_fd >= 0) os_close(s->lock_fd);
    free(s);
    return status;
}

void dxup_store_close(dxup_store *s)
{
    if (s) release(s);
}

int dxup_store_refresh(dxup_store **store)
{
    dxup_store *s = *store, *fresh;
    int error = dx_cas_refresh(&s->cas);
    if (!error) return DXUP_OK;
    if (error != DX_CAS_EMOVED && error != DX_CAS_EAGAIN) return cas_fail(s, error, s->path);
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
    v->kind = (int)ref->kind;
    v->mode = ref->info_size >= 2 ? ref->info[0] | (unsigned)ref->info[1] << 8 : 0644;
    memcpy(v->root, ref->root.bytes, sizeof v->root);
    memcpy(v->hash, ref->content.bytes, sizeof v->hash);
}

int dxup_store_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, version, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return DXUP_NOT_FOUND;
    if (error) return cas_fail(s, error, name);
    take_ref(out, &ref);
    return DXUP_OK;
}

int dxup_store_find_hash(dxup_store *s, const char *name, const uint8_t hash[DXUP_HASH_SIZE],
                         dxup_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, 0, &ref);
    while (!error && memcmp(ref.content.bytes, hash, DXUP_HASH_SIZE) != 0)
        error = dx_cas_ref_previous(&s->cas, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return DXUP_NOT_FOUND;
    if (error) return cas_fail(s, error, name);
    take_ref(out, &ref);
    return DXUP_OK;
}

/* NAME or NAME@VERSION. */
static void split_version(const char *text, char name[DXUP_NAME_SIZE_MAX + 1], uint64_t *version)
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

/* >>content ------------------------------------------------------------ */
int dxup_content_open(dxup_content **out, dxup_store *s, const dxup_version *v)
{
    dx_cas_id root;
    size_t memory_size = dx_cas_reader_memory_size(0);
    dxup_content *c = dxup_alloc(sizeof *c);
    memcpy(root.bytes, v->root, sizeof root.bytes);
    c->store = s;
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
    int error = dx_cas_reader_read(&c->reader, offset, out, size, &got);
    return content_failed(c, !error && got != size ? DX_CAS_ECORRUPT : error);
}

int dxup_content_chunk(dxup_content *c, uint64_t offset, uint8_t id[DXUP_HASH_SIZE],
                       uint64_t *start, uint64_t *size)
{
    dx_cas_id chunk;
    int error = dx_cas_reader_chunk(&c->reader, offset, &chunk, start, size);
    memcpy(id, chunk.bytes, DXUP_HASH_SIZE);
    return content_failed(c, error);
}

void dxup_content_close(dxup_content *c)
{
    if (!c) return;
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
} publication;

static int publish_bytes(void *user, const void *bytes, size_t size)
{
    publication *p = user;
    int error = dx_cas_writer_write(&p->writer, bytes, size, NULL);
    if (error) return cas_fail(p->store, error, p->store->path);
    p->done += size;
    dxup_progress(p->name, p->done, 0, false);
    return DXUP_OK;
}

static int store_content(publication *p, const char *path, int kind, dx_cas_content *content)
{
    dx_cas_writer_desc desc = {0};
    desc.store = &p->store->cas;
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    desc.memory = dxup_alloc(desc.memory_size);
    int error = dx_cas_writer_begin(&p->writer, &desc);
    int status = error ? cas_fail(p->store, error, p->store->path)
                       : dxup_image_read(path, kind, publish_bytes, p);
    if (!status) {
        error = dx_cas_writer_finish(&p->writer, content);
        if (error) status = cas_fail(p->store, error, p->store->path);
    }
    dxup_progress(NULL, 0, 0, true);
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

static int publish_into(dxup_store *s, const dxup_options *o, int kind, unsigned mode)
{
    publication p = {.store = s, .name = o->name};
    dx_cas_stats before, after;
    dx_cas_content content;
    dxup_version last;
    uint64_t version = 0;
    char size[32], added[32];
    dx_cas_get_stats(&s->cas, &before);
    int status = store_content(&p, o->path, kind, &content);
    if (status) return status;
    status = dxup_store_find(s, o->name, 0, &last);
    if (status && status != DXUP_NOT_FOUND) return status;
    bool same = !status && last.kind == kind && last.mode == mode &&
                !memcmp(last.hash, content.content.bytes, DXUP_HASH_SIZE);
    if (!same) {
        status = name_version(&p, o->name, kind, mode, &content, &version);
        if (status) return status;
    }
    dx_cas_get_stats(&s->cas, &after);
    dxup_count_text(content.size, size);
    dxup_count_text(after.device_bytes - before.device_bytes, added);
    if (o->quiet) return DXUP_OK;
    if (same) printf("%s@%llu is unchanged: %s bytes, nothing added\n", o->name,
                     (unsigned long long)last.version, size);
    else printf("%s@%llu published: %s bytes, the store grew by %s\n", o->name,
                (unsigned long long)version, size, added);
    return DXUP_OK;
}

int dxup_publish(const dxup_options *o)
{
    dxup_store *s;
    int kind;
    unsigned mode;
    uint64_t version;
    char name[DXUP_NAME_SIZE_MAX + 1];
    split_version(o->name, name, &version);
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
    printf("%-24s @%-5llu %s %15s  %s  %s\n", v->name, (unsigned long long)v->version,
           v->kind == DXUP_TREE ? "tree" : "file", dxup_count_text(v->size, size), when,
           dxup_hash_text(v->hash, hash));
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
    int status = dxup_dest_open(&c->dest, path, v->kind, v->mode);
    if (status) {
        free(c);
        return status;
    }
    dx_cas_blake3_init(&c->hasher);
    status = stream_version(s, v, checkout_bytes, c);
    dx_cas_blake3_final(&c->hasher, hash, sizeof hash);
    if (!status && memcmp(hash, v->hash, sizeof hash) != 0)
        status = dxup_fail(DXUP_DAMAGED, "%s@%llu does not have its hash", v->name,
                           (unsigned long long)v->version);
    if (!status) status = dxup_dest_commit(&c->dest);
    dxup_dest_abandon(&c->dest);
    free(c);
    return status;
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
    split_version(o->name, name, &version);
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    status = dxup_store_find(s, name, version, &v);
    if (status == DXUP_NOT_FOUND) dxup_fail(status, "%s has no '%s'", o->store, o->name);
    if (!status) status = check_replaced(o);
    if (!status) status = checkout_version(s, &v, o->path);
    if (!status && !o->quiet)
        printf("%s@%llu checked out to %s: %s bytes, BLAKE3 %s verified\n", v.name,
               (unsigned long long)v.version, o->path, dxup_count_text(v.size, size),
               dxup_hash_text(v.hash, hash));
    dxup_store_close(s);
    return status;
}

/* >>verify ------------------------------------------------------------- */
static int print_damage(void *user, const dx_cas_damage *damage)
{
    static const char *const kinds[] = {"?", "store header", "record", "object", "version of a name",
                                        "padding", "commit", "missing object", "unknown codec"};
    char offset[32], hash[65];
    (void)user;
    bool has_id = damage->kind == DX_CAS_DAMAGE_OBJECT || damage->kind == DX_CAS_DAMAGE_MISSING;
    dx_cas_id_to_hex(&damage->id, hash);
    printf("damaged: %s at byte %s%s%s\n",
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
            printf("%s@%llu is %s\n", v.name, (unsigned long long)v.version,
                   stream_version(s, &v, discard, NULL) ? "damaged" : "whole");
        }
        if (error != DX_CAS_ENOTFOUND) printf("%s: older versions cannot be listed\n", list[i].name);
    }
    free(list);
}

int dxup_verify(const dxup_options *o)
{
    dxup_store *s;
    dx_cas_report report;
    char objects[32], bytes[32];
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    int error = dx_cas_verify(&s->cas, print_damage, NULL, &report);
    if (error && error != DX_CAS_ECORRUPT) {
        status = cas_fail(s, error, o->store);
    } else if (error) {
        judge_versions(s);
        status = dxup_fail(DXUP_DAMAGED, "%s: %llu places are damaged", o->store,
                           (unsigned long long)report.damaged);
    } else if (!o->quiet) {
        printf("%s is sound: %s objects, %llu versions, %llu commits, %s bytes read and hashed\n",
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

/* Copy into a new log, then rename it over the old one: killed at any moment, one of them is there. */
static int collect(dxup_store *s, uint64_t *left)
{
    dx_cas_stats stats;
    dxup_store *fresh = dxup_alloc(sizeof *fresh);
    memset(fresh, 0, sizeof *fresh);
    fresh->lock_fd = -1;
    fresh->holders = 1;
    memcpy(fresh->path, s->path, sizeof fresh->path);
    snprintf(fresh->objects, sizeof fresh->objects, "%s/objects.new", s->path);
    int status = dxup_remove_all(fresh->objects);
    if (!status) status = open_log(fresh, fresh->objects, DX_CAS_WRITE | DX_CAS_CREATE);
    if (status) {
        free(fresh);
        return status;
    }
    int error = dx_cas_copy_live(&s->cas, &fresh->cas);
    if (error) status = cas_fail(error == DX_CAS_ENOSPACE ? fresh : s, error, s->path);
    if (!status && (error = dx_cas_retire(&s->cas)) != 0) status = cas_fail(s, error, s->path);
    if (!status && os_replace(-1, fresh->objects, s->objects, false) < 0)
        status = dxup_fail_errno("%s", s->objects);
    if (!status) status = dxup_sync_parent(s->objects);
    else os_remove(fresh->objects);
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
    if (!status) status = collect(s, &left);
    if (!status && !o->quiet)
        printf("%s: %s bytes before, %s after\n", o->store,
               dxup_count_text(before.device_bytes, was), dxup_count_text(left, is));
    dxup_store_close(s);
    return status;
}
