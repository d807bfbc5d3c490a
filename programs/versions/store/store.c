/* The folder of a store: one writer at a time, any number of readers.

       STORE/objects     the log of dx_cas: all objects, names and versions
       STORE/index       its checkpoint, for a fast open; may be missing
       STORE/lock        locked by the writer; a separate file, because gc replaces the log
       STORE/objects.new, index.new    a compacted log in progress
       STORE/seen-NAME   caches of tree/stat_cache.c */
#include "inside.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_TRIES_MAX = 100 }; /* by a reader, while writers replace the log */
#define LOCK_POLL_NS INT64_C(20000000)

/* >>errors ------------------------------------------------------------- */
/* Does the index know commits that the log has lost? */
static bool has_lost(const versions_store *s)
{
    dx_cas_stats stats;
    dx_cas_get_stats(&s->cas, &stats);
    return stats.ahead && !stats.damaged_places;
}

static int fail_lost(const versions_store *s, const char *what)
{
    return prog_fail(PROG_DAMAGED, "%s is damaged: %s ends before versions that %s knows. Restore both files "
                                   "from a copy, or remove %s to continue with the versions that are left",
                     what, s->objects, s->index_path, s->index_path);
}

int versions_store_fail(versions_store *s, int error, const char *what)
{
    char text[64];
    uint64_t offset = dx_cas_damage_offset(&s->cas);
    switch (error) {
    case DX_CAS_ENOTFOUND: return prog_fail(PROG_NOT_FOUND, "%s: not found", what);
    case DX_CAS_ELOCKED:
        return prog_fail(PROG_REFUSED, "%s is being written by another process", what);
    case DX_CAS_EREADONLY:
    case DX_CAS_ECORRUPT:
    case DX_CAS_EBASE:
    case DX_CAS_ETRUNCATED:
        if (offset == UINT64_MAX) return prog_fail(PROG_DAMAGED, "%s is damaged", what);
        if (has_lost(s)) return fail_lost(s, what);
        return prog_fail(PROG_DAMAGED, "%s is damaged at byte %s of %s%s", what,
                         prog_count_text(offset, text), s->objects,
                         s->checks ? "" : "; run dxup verify");
    case DX_CAS_ENOTSUP:
        return prog_fail(PROG_SYSTEM, "%s holds zstd data, and this dxup was built without zstd",
                         what);
    case DX_CAS_EVERSION:
    case DX_CAS_EZERO:
        return prog_fail(PROG_SYSTEM, "%s was written by a newer release, whose format this one does "
                         "not know; it was not changed", what);
    case DX_CAS_ENOSPACE: return prog_fail(PROG_SYSTEM, "%s: no space left on the device", what);
    case DX_CAS_ESYS:
        if (s->file.system_error)
            return prog_fail(PROG_SYSTEM, "%s: %s", what, os_cas_error_text(s->file.system_error));
        break;
    case DX_CAS_EINVAL:
        return prog_fail(PROG_USAGE, "'%s' is not a valid name: %s", what, PROG_NAME_RULE);
    case DX_CAS_EFAILED:
        return prog_fail(PROG_SYSTEM, "%s: an earlier write failed, so nothing more can be written",
                         what);
    default: break;
    }
    return prog_fail(PROG_SYSTEM, "%s: %s", what, dx_cas_error_name(error));
}

/* >>codecs: callbacks of dx_cas for objects that are stored in another form -- */
static int pack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *got)
{
    versions_store *s = user;
    assert(s->packer);
    if (s->plain) {
        *got = 0;
    } else if (in != s->packed_of) {
        *got = versions_pack(s->packer, out, capacity, in, size);
    } else {
        *got = s->packed_size <= capacity ? s->packed_size : 0;
        memcpy(out, s->packed, *got);
    }
    return *got ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

static int unpack(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *got)
{
    versions_store *s = user;
    assert(s->packer);
    *got = versions_unpack(s->packer, out, capacity, in, size);
    return *got ? DX_CAS_OK : DX_CAS_ECORRUPT;
}

/* >>open --------------------------------------------------------------- */
/* The index of a writer with many objects is in a file without a name: of a process that runs for long,
   the system can take back the pages that it does not use. */
enum { INDEX_IN_MEMORY_MAX = 4 << 20, OBJECTS_MIN = 1024, OBJECTS_FORESEEN = 2000000 };

static versions_block make_block(const versions_store *s, size_t size)
{
    versions_block b = {.size = size};
    if (s->lock_fd >= 0 && size > INDEX_IN_MEMORY_MAX) b.bytes = os_scratch_resize(NULL, size);
    b.in_file = b.bytes != NULL;
    if (!b.bytes) b.bytes = malloc(size);
    return b;
}

static void free_block(versions_block *b)
{
    if (b->in_file) os_scratch_free(b->bytes);
    else free(b->bytes);
    memset(b, 0, sizeof *b);
}

/* Callback of dx_cas: it asks for a larger block, moves its index there, and returns the old one. */
static void *grow_index(void *user, void *old, size_t size)
{
    versions_store *s = user;
    if (size) {
        s->next_memory = make_block(s, size);
        return s->next_memory.bytes;
    }
    assert(old == s->memory.bytes || old == s->next_memory.bytes);
    if (old == s->memory.bytes) {
        free_block(&s->memory);
        s->memory = s->next_memory;
        s->next_memory = (versions_block){0};
    } else {
        free_block(&s->next_memory);
    }
    return NULL;
}

void versions_store_rest(const versions_store *s)
{
    if (s->memory.in_file) os_release(s->memory.bytes, s->memory.size);
}

/* The codec for deltas, which counts them. */
static int delta_compress(void *user, void *out, size_t capacity, const void *in, size_t n,
                          size_t *got)
{
    versions_store *s = user;
    const int error = s->delta_codec.compress(s->delta_codec.user, out, capacity, in, n, got);
    s->deltas += !error;
    return error;
}

static int delta_decompress(void *user, void *out, size_t capacity, const void *in, size_t n,
                            size_t *got)
{
    const versions_store *s = user;
    return s->delta_codec.decompress(s->delta_codec.user, out, capacity, in, n, got);
}

static bool delta_needs(void *user, const void *in, size_t n, dx_cas_id *other)
{
    const versions_store *s = user;
    return s->delta_codec.needs(s->delta_codec.user, in, n, other);
}

uint64_t versions_store_deltas(const versions_store *s) { return s->deltas; }

/* Deltas between chunks. */
static dx_cas_codec describe_deltas(versions_store *s)
{
    dx_cas_delta_desc desc = {.store = &s->cas, .coders = s->coders,
                              .object_size_max = VERSIONS_OBJECT_MAX, .depth_max = s->chain_max};
    if (!s->differ) s->differ = versions_differ_open();
    desc.coder_count = versions_differ_coders(s->differ, s->coders);
    desc.memory_size = dx_cas_delta_memory_size(&desc);
    if (!s->delta_memory) s->delta_memory = prog_alloc(desc.memory_size);
    desc.memory = s->delta_memory;
    dx_cas_delta_init(&s->delta, &desc);
    s->delta_codec = dx_cas_delta_codec(&s->delta);
    return (dx_cas_codec){s->delta_codec.number, delta_compress, delta_decompress, s, delta_needs};
}

/* Room for the objects that the store has, as far as its checkpoint tells, and some more: to move a large
   index into a larger block takes the memory of both. */
static uint64_t room_for_objects(const versions_store *s)
{
    os_info info;
    if (s->lock_fd < 0 || os_stat(s->index_path, true, &info) < 0) return OBJECTS_MIN;
    const uint64_t count = info.size / sizeof(dx_cas_entry_);
    return OBJECTS_MIN + (count < OBJECTS_FORESEEN ? count + count / 8 : OBJECTS_FORESEEN);
}

static dx_cas_desc describe(versions_store *s, uint32_t mode)
{
    dx_cas_desc desc = {0};
    desc.device = dx_cas_file_device(&s->file);
    if (s->has_index) desc.checkpoint = dx_cas_file_device(&s->index);
    desc.mode = mode;
    desc.objects_max = room_for_objects(s); /* grows */
    desc.grow = grow_index;
    desc.grow_user = s;
    if (!s->packer) s->packer = versions_packer_open();
    if (s->packer)
        s->codecs[desc.codec_count++] = (dx_cas_codec){VERSIONS_CODEC_ZSTD, pack, unpack, s, NULL};
    s->codecs[desc.codec_count++] = describe_deltas(s);
    desc.codecs = s->codecs;
    assert(!s->memory.bytes);
    desc.memory_size = dx_cas_memory_size(&desc);
    s->memory = make_block(s, desc.memory_size);
    if (!s->memory.bytes) abort();
    desc.memory = s->memory.bytes;
    if (mode & DX_CAS_CREATE && !os_random(desc.store_id, sizeof desc.store_id))
        memset(desc.store_id, 1, sizeof desc.store_id); /* without random bytes, the id is not secret */
    return desc;
}

/* Lock out other writers. The lock is a separate file, because gc replaces `objects`. */
static int lock_store(versions_store *s)
{
    char path[sizeof s->objects];
    snprintf(path, sizeof path, "%s/lock", s->path);
    s->lock_fd = os_open_lock(path);
    if (s->lock_fd >= 0) return PROG_OK;
    if (errno == EWOULDBLOCK)
        return prog_fail(PROG_REFUSED, "%s is being written by another process", s->path);
    return prog_fail_errno("%s", path);
}

static void close_files(versions_store *s)
{
    dx_cas_file_close(&s->file);
    if (s->has_index) dx_cas_file_close(&s->index);
    s->has_index = false;
}

/* A store may come from somebody else: its files are no links, which lead to files of its user, and no fifos,
   where an open waits for ever. */
static int check_plain(const versions_store *s, const char *path)
{
    os_info info;
    if (os_stat(path, false, &info) < 0 || info.kind == OS_FILE) return PROG_OK; /* opening reports the error */
    return prog_fail(PROG_DAMAGED, "%s is damaged: %s is not a regular file", s->path, path);
}

/* Open the log. *again: in, whether further attempts are left; out, whether another process changed
   the log meanwhile, so that it must be opened again. */
static int try_log(versions_store *s, const char *objects, uint32_t mode, bool *again)
{
    assert(!s->has_index);
    bool more = *again;
    *again = false;
    int status = check_plain(s, objects);
    if (!status) status = check_plain(s, s->index_path);
    if (status) return status;
    int error = dx_cas_file_open(&s->file, objects, mode);
    if (error == DX_CAS_ENOTFOUND)
        return prog_fail(PROG_NOT_FOUND, "%s is not a store", s->path);
    if (error) return versions_store_fail(s, error, s->path);
    /* The checkpoint is optional: without it, opening is slower. */
    s->has_index = !dx_cas_file_open(&s->index, s->index_path,
                                     mode & DX_CAS_WRITE ? mode | DX_CAS_CREATE : mode);
    dx_cas_desc desc = describe(s, mode);
    error = dx_cas_open(&s->cas, &desc);
    if (!error) return PROG_OK;
    *again = more && error == DX_CAS_EAGAIN;
    if (error == DX_CAS_ENOTFOUND) status = prog_fail(PROG_NOT_FOUND, "%s is not a store", s->path);
    else if (!*again) status = versions_store_fail(s, error, s->path);
    free_block(&s->memory);
    close_files(s);
    return status;
}

static int open_log(versions_store *s, const char *objects, uint32_t mode)
{
    int status, tries = OPEN_TRIES_MAX;
    bool again;
    do {
        again = --tries > 0;
        status = try_log(s, objects, mode, &again);
    } while (again);
    return status;
}

/* Free a handle whose log is not open. */
static void dispose(versions_store *s)
{
    versions_packer_close(s->packer);
    versions_differ_close(s->differ);
    free(s->delta_memory);
    if (s->lock_fd >= 0) os_close(s->lock_fd);
    free(s);
}

void versions_store_close(versions_store *s)
{
    if (!s) return;
    assert(s->holders);
    if (--s->holders) return;
    dx_cas_close(&s->cas);
    close_files(s);
    free_block(&s->memory);
    dispose(s);
}

void versions_store_hold(versions_store *s)
{
    assert(s->holders);
    s->holders++;
}

bool versions_store_is_at(const char *path)
{
    static const char *const names[] = {"lock", "objects"};
    char file[PROG_PATH_SIZE_MAX + 16];
    os_info info;
    if (strlen(path) > PROG_PATH_SIZE_MAX) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        if (os_stat(file, true, &info) < 0 || info.kind != OS_FILE) return false;
    }
    return true;
}

/* Remove everything that versions_store_open() created. The lock file is removed last, while it is
   held, so that no other process opens the store meanwhile. */
static void remove_made(versions_store *s)
{
    char lock[sizeof s->objects];
    if (s->made) {
        (void)os_remove(s->index_path);
        (void)os_remove(s->objects);
        snprintf(lock, sizeof lock, "%s/lock", s->path);
        (void)os_drop_staging(s->lock_fd, lock);
        s->lock_fd = -1;
    }
    if (s->made_folder) (void)os_remove_folder(s->path); /* fails if another store was begun */
}

void versions_store_discard(versions_store *s)
{
    dx_cas_stats stats;
    assert(s->holders == 1 && s->lock_fd >= 0);
    dx_cas_get_stats(&s->cas, &stats);
    const bool empty = s->made && !stats.names;
    dx_cas_close(&s->cas);
    close_files(s);
    if (empty) remove_made(s);
    free_block(&s->memory);
    dispose(s);
}

/* A killed gc leaves a compacted log, and possibly the retired mark in this log: remove the former,
   clear the latter. */
static int undo_replace(versions_store *s)
{
    static const char *const names[] = {"objects.new", "index.new"};
    char path[sizeof s->objects];
    dx_cas_stats stats;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", s->path, names[i]);
        (void)os_remove(path); /* usually missing */
    }
    dx_cas_get_stats(&s->cas, &stats);
    int error = stats.retired ? dx_cas_commit(&s->cas) : DX_CAS_OK;
    return error ? versions_store_fail(s, error, s->path) : PROG_OK;
}

/* Make a handle for the store at path, without opening anything. suffix: for a log in progress. */
static versions_store *new_handle(const char *path, const char *suffix)
{
    versions_store *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->lock_fd = -1;
    s->holders = 1;
    assert(strlen(path) <= PROG_PATH_SIZE_MAX);
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->objects, sizeof s->objects, "%s/objects%s", path, suffix);
    snprintf(s->index_path, sizeof s->index_path, "%s/index%s", path, suffix);
    return s;
}

/* Callback of os_list(): 1 ends the loop. *user: is there a name that does not belong to a store? */
static int check_name(void *user, const char *name)
{
    bool *others = user;
    if (!strcmp(name, "lock") || !strcmp(name, "objects")) {
        *others = false;
        return 1;
    }
    if (strcmp(name, "lost+found") != 0) *others = true; /* in the root of a file system */
    return 0;
}

/* Does the folder have files of something else? Then a typing mistake would put a store among them.
   The first file that a store creates is its lock. */
static int refuse_others(const char *path)
{
    bool others = false;
    int folder = os_open_folder(path);
    const int listed = folder < 0 ? -1 : os_list(folder, check_name, &others);
    const int status = listed < 0 ? prog_fail_errno("%s", path) : PROG_OK;
    if (folder >= 0) os_close(folder);
    if (status || !others) return status;
    return prog_fail(PROG_REFUSED, "%s is not a store and has other files; a new store needs "
                                   "a new or empty directory", path);
}

/* A store is made, but not the directories above it: a slip would scatter them. */
static int parent_missing(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    while (size && path[size - 1] != '/') size--;
    while (size > 1 && path[size - 1] == '/') size--;
    if (!size) return prog_fail_errno("%s", path); /* a link to nowhere */
    return prog_fail(PROG_SYSTEM, "there is no directory %.*s for the new store %s; make it first",
                     (int)size, path, path);
}

/* Is path a store? VERSIONS_CREATE creates one; *made: its folder, too. */
static int find_folder(const char *path, enum versions_store_mode mode, bool *made)
{
    os_info info;
    size_t size = strlen(path);
    if (!size || size > PROG_PATH_SIZE_MAX)
        return prog_fail(PROG_USAGE, "'%s' is not a valid path: it is empty or too long", path);
    if (mode == VERSIONS_CREATE) {
        *made = os_make_folder(path, 0777) == 0;
        if (!*made && errno == ENOENT) return parent_missing(path);
        if (!*made && errno != EEXIST) return prog_fail_errno("%s", path);
        int status = *made ? prog_sync_parent(path) : PROG_OK;
        if (status) return status;
    }
    if (os_stat(path, true, &info) < 0) {
        if (errno == ENOENT) return prog_fail(PROG_NOT_FOUND, "there is no store at %s", path);
        return prog_fail_errno("%s", path);
    }
    if (info.kind == OS_FILE)
        return prog_fail(PROG_NOT_FOUND, "%s is a file, not a store; a store is a directory", path);
    if (info.kind != OS_FOLDER) return prog_fail(PROG_NOT_FOUND, "%s is not a store", path);
    return mode == VERSIONS_CREATE ? refuse_others(path) : PROG_OK;
}

/* Is the log missing or without a header, though other files tell that it had versions? A new store in its place would
   use their numbers again. Under the lock: no other process makes or removes the store now. */
static int refuse_lost_log(const versions_store *s)
{
    static const char *const names[] = {"index", "pins"}; /* neither is written before the first version */
    char path[sizeof s->objects];
    os_info log, info;
    const bool missing = os_stat(s->objects, true, &log) < 0;
    if (missing && errno != ENOENT) return prog_fail_errno("%s", s->objects);
    if (!missing && log.size >= 2 * DX_CAS_EXT_HEAD) return PROG_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", s->path, names[i]);
        if (os_stat(path, false, &info) < 0 || !info.size) continue;
        return prog_fail(PROG_DAMAGED, "%s is damaged: %s is %s, but %s tells of versions in it. Restore it from a "
                                       "copy, or remove %s to begin a new store", s->path, s->objects,
                         missing ? "missing" : log.size ? "cut off" : "empty", path, path);
    }
    return PROG_OK;
}

static int open_store(versions_store **out, const char *path, enum versions_store_mode mode)
{
    static const uint32_t modes[] = {
        [VERSIONS_READ] = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE,
        [VERSIONS_AGAIN] = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE,
        [VERSIONS_CHECK] = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE,
        [VERSIONS_WRITE] = DX_CAS_WRITE,
        [VERSIONS_CREATE] = DX_CAS_WRITE | DX_CAS_CREATE,
    };
    os_info info;
    const bool writes = mode == VERSIONS_WRITE || mode == VERSIONS_CREATE;
    bool made = false;
    int status = find_folder(path, mode, &made);
    if (status) return status;
    versions_store *s = new_handle(path, "");
    s->made_folder = made;
    s->checks = mode == VERSIONS_CHECK;
    if (writes) status = lock_store(s);
    if (!status && mode == VERSIONS_CREATE) status = refuse_lost_log(s);
    s->made = !status && mode == VERSIONS_CREATE && os_stat(s->objects, false, &info) < 0 && errno == ENOENT;
    if (!status) status = open_log(s, s->objects, modes[mode]);
    if (status) {
        remove_made(s);
        dispose(s);
        return status;
    }
    if (writes) status = undo_replace(s);
    if (status) {
        versions_store_close(s);
        return status;
    }
    *out = s;
    return PROG_OK;
}

/* Is the log of a reader shorter than its index tells? A writer may have made a commit and saved the index
   between the two looks: then the next ones find that commit. */
static int warn_of_lost(versions_store **store, enum versions_store_mode mode)
{
    dx_cas_stats before, now;
    versions_store *again;
    dx_cas_get_stats(&(*store)->cas, &before);
    if (!has_lost(*store) || before.retired) return PROG_OK;
    int status = open_store(&again, (*store)->path, mode);
    if (status) return status;
    dx_cas_get_stats(&again->cas, &now);
    if (has_lost(again) && !now.retired && now.commits == before.commits)
        prog_warn("%s is damaged: the latest versions are lost, which %s knows; %s ends before them",
                  again->path, again->index_path, again->objects);
    versions_store_close(*store);
    *store = again;
    return PROG_OK;
}

int versions_store_open(versions_store **out, const char *path, enum versions_store_mode mode)
{
    int status = open_store(out, path, mode);
    if (status || mode != VERSIONS_READ) return status;
    status = warn_of_lost(out, mode);
    if (status) versions_store_close(*out);
    return status;
}

int versions_store_refresh(versions_store **store)
{
    versions_store *s = *store, *fresh;
    dx_cas_stats stats;
    int error = dx_cas_refresh(&s->cas);
    if (error && error != DX_CAS_EMOVED && error != DX_CAS_EAGAIN)
        return versions_store_fail(s, error, s->path);
    dx_cas_get_stats(&s->cas, &stats);
    /* A killed gc may have retired the log without replacing it: then it is still the current one. */
    if (error != DX_CAS_EAGAIN && !(stats.retired && dx_cas_file_moved(&s->file, s->objects)))
        return PROG_OK;
    int status = open_store(&fresh, s->path, VERSIONS_READ);
    if (status) return status;
    versions_store_close(s);
    *store = fresh;
    return PROG_OK;
}

const char *versions_store_path(const versions_store *s) { return s->path; }

int versions_store_mark(const versions_store *s)
{
    char path[sizeof s->objects];
    snprintf(path, sizeof path, "%s/lock", s->path);
    return os_open(path);
}

bool versions_store_has_mark(const versions_store *s, int mark)
{
    char path[sizeof s->objects];
    os_info marked, named;
    snprintf(path, sizeof path, "%s/lock", s->path);
    return os_info_of(mark, &marked) == 0 && os_stat(path, true, &named) == 0 &&
           marked.volume == named.volume && marked.number == named.number;
}

int versions_store_look_again(versions_store **store)
{
    versions_store *fresh;
    if (versions_store_in_place(*store)) return versions_store_refresh(store);
    int status = open_store(&fresh, (*store)->path, VERSIONS_READ);
    if (status) return status;
    versions_store_close(*store);
    *store = fresh;
    return PROG_OK;
}

/* Also check the lock: without it a second writer could append to the same log. */
bool versions_store_in_place(versions_store *s)
{
    os_info info;
    if (os_stat(s->objects, true, &info) < 0 || dx_cas_file_moved(&s->file, s->objects))
        return false;
    return s->lock_fd < 0 || versions_store_has_mark(s, s->lock_fd);
}

uint64_t versions_store_size(versions_store *s)
{
    dx_cas_stats stats;
    dx_cas_get_stats(&s->cas, &stats);
    return stats.device_bytes;
}

uint64_t versions_store_content(versions_store *s)
{
    dx_cas_stats stats;
    dx_cas_get_stats(&s->cas, &stats);
    return stats.logical_bytes;
}

uint64_t versions_store_kept(versions_store *s)
{
    dx_cas_stats stats;
    dx_cas_get_stats(&s->cas, &stats);
    return stats.objects ? stats.device_bytes : 0;
}

void versions_store_save_index(versions_store *s)
{
    if (s->has_index) (void)dx_cas_checkpoint(&s->cas);
}

int versions_store_commit(versions_store *s)
{
    int error = dx_cas_commit(&s->cas);
    return error ? versions_store_fail(s, error, s->path) : PROG_OK;
}

void versions_store_hurry(versions_store *s, int64_t whole_from_ns, bool smallest)
{
    s->hurry = true;
    s->whole_from_ns = whole_from_ns;
    versions_differ_hurry(s->differ, !smallest);
}

void versions_store_set_plain(versions_store *s, bool plain) { s->plain = plain; }

void versions_store_set_paranoid(versions_store *s, bool paranoid) { s->paranoid = paranoid; }

void versions_store_set_chain(versions_store *s, uint32_t deltas_max)
{
    assert(deltas_max && deltas_max <= DX_CAS_DELTA_DEPTH_MAX);
    if (s->chain_max == deltas_max) return;
    s->chain_max = deltas_max;
    describe_deltas(s);
}

void versions_store_wait(const char *path, int64_t until_ns)
{
    char lock[PROG_PATH_SIZE_MAX + 16];
    os_info info;
    if (strlen(path) > PROG_PATH_SIZE_MAX) return;
    snprintf(lock, sizeof lock, "%s/lock", path);
    while (os_stat(lock, true, &info) == 0 && prog_now_ns() < until_ns) {
        const int fd = os_open_lock(lock);
        const bool busy = fd < 0 && errno == EWOULDBLOCK;
        if (fd >= 0) os_close(fd);
        if (!busy) return;
        os_sleep_ns(LOCK_POLL_NS);
    }
}

/* >>verify ------------------------------------------------------------- */
int versions_store_verify(versions_store *s, dx_cas_damage_fn *each, void *user,
                          dx_cas_report *report, bool *damaged)
{
    int error = dx_cas_verify(&s->cas, each, user, report);
    *damaged = error == DX_CAS_ECORRUPT;
    return error && !*damaged ? versions_store_fail(s, error, s->path) : PROG_OK;
}

/* >>replace ------------------------------------------------------------
   Compaction fills a new log next to the old one and renames it into place. Between the two steps the
   old log is marked as retired, which tells readers to open the new one. A writer that finds a
   retired log in place clears the mark: see undo_replace(). */
/* Give a file of the new log the owner and the mode of the old log. Otherwise those who publish and serve
   could lose access, because another user, or one with another umask, has run gc. */
static int keep_rights(const versions_store *s, const char *path)
{
    os_info old;
    const int file = os_open(path);
    if (file < 0 || os_stat(s->objects, true, &old) < 0) {
        int status = prog_fail_errno("%s", path);
        if (file >= 0) os_close(file);
        return status;
    }
    int status = PROG_OK;
    if (os_set_rights(file, &old) < 0)
        status = prog_fail(PROG_REFUSED, "the owner and group of %s cannot be kept: %s; run this as "
                           "its owner or as root; nothing was changed",
                           s->objects, os_error_text(errno));
    os_close(file);
    return status;
}

int versions_store_successor_open(versions_store *s, versions_store **out)
{
    assert(s->lock_fd >= 0 /* a writer */);
    versions_store *fresh = new_handle(s->path, ".new");
    int status = prog_remove_all(fresh->objects);
    if (!status) status = prog_remove_all(fresh->index_path);
    if (!status) status = open_log(fresh, fresh->objects, DX_CAS_WRITE | DX_CAS_CREATE);
    if (status) {
        dispose(fresh);
        return status;
    }
    status = keep_rights(s, fresh->objects);
    if (!status && fresh->has_index) status = keep_rights(s, fresh->index_path);
    if (status) versions_store_successor_drop(fresh);
    else *out = fresh;
    return status;
}

void versions_store_successor_drop(versions_store *fresh)
{
    os_remove(fresh->objects);
    os_remove(fresh->index_path);
    versions_store_close(fresh);
}

/* Rename the new log over the old one. */
static int rename_log(versions_store *s, versions_store *fresh)
{
    assert(fresh->holders == 1);
    if (s->has_index) { /* until the second rename it would list commits that the log lacks */
        dx_cas_device index = dx_cas_file_device(&s->index);
        if (index.truncate(index.user, 0) || index.sync(index.user))
            return prog_fail(PROG_SYSTEM, "%s: %s", s->index_path, os_cas_error_text(s->index.system_error));
    }
    if (os_replace(-1, fresh->objects, s->objects, false) < 0) {
        int status = prog_fail_errno("%s", s->objects);
        /* Clear the mark; if this fails, the next writer does it. */
        (void)dx_cas_commit(&s->cas);
        return status;
    }
    return prog_sync_parent(s->objects);
}

static bool keeps(void *user, const dx_cas_ref *ref)
{
    const versions_keep *keep = user;
    return keep->fn(keep->user, ref->name, ref->version);
}

int versions_store_replace(versions_store *s, versions_store *fresh, const versions_keep *keep,
                           uint64_t *size)
{
    assert(s->lock_fd >= 0 && fresh->lock_fd < 0);
    assert(fresh->holders == 1);
    versions_keep all = *keep;
    int error = dx_cas_compact_kept(&s->cas, &fresh->cas, all.fn ? keeps : NULL, &all);
    versions_store *full = error == DX_CAS_ENOSPACE ? fresh : s; /* whose error it is */
    int status = error ? versions_store_fail(full, error, s->path) : PROG_OK;
    if (!status) error = dx_cas_retire(&s->cas);
    if (!status && error) status = versions_store_fail(s, error, s->path);
    if (!status) status = rename_log(s, fresh);
    if (status) {
        versions_store_successor_drop(fresh);
        return status;
    }
    versions_store_save_index(fresh);
    if (os_replace(-1, fresh->index_path, s->index_path, false) < 0) os_remove(fresh->index_path);
    *size = versions_store_size(fresh);
    versions_store_close(fresh);
    return PROG_OK;
}
