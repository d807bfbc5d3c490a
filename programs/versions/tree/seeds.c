/* A table of the chunks of directories, or of one file; a publish that stores no chunks reports
   their locations. Several threads read from it; each read opens the file again, and the caller
   verifies the bytes, because the file may have changed. */
#include "seeds.h"

#include "../../common/os.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDERS_MAX = 2 };
#define A_LIST UINT32_MAX /* in place.path: it is in lists */

typedef struct place {
    uint8_t  id[32];
    uint64_t offset;
    uint32_t size;   /* 0: a free slot */
    uint32_t path;   /* index of its file in paths */
} place;

struct versions_seeds {
    int                folders[FOLDERS_MAX];
    uint8_t            folder_count;
    bool               linked; /* a file of the first directory has several hard links */
    int                file;   /* instead of folders: one open file; -1: none */
    place             *places; /* open addressing; at least one slot is free */
    size_t             mask, used;
    versions_slots_key key;
    char              *paths;  /* concatenated: the folder, the path in it, a zero */
    size_t             paths_size, paths_room;
    size_t             last;  /* the path added last */
    uint8_t           *lists; /* lists of files, concatenated */
    size_t             lists_size, lists_room;
};

static place *find_place(const versions_seeds *d, const uint8_t id[32])
{
    assert(d->used <= d->mask);
    for (size_t at = versions_slot_of(&d->key, id, d->mask);; at = (at + 1) & d->mask) {
        place *found = &d->places[at];
        if (!found->size || !memcmp(found->id, id, sizeof found->id)) return found;
    }
}

static void grow(versions_seeds *d)
{
    place *old = d->places;
    size_t count = old ? d->mask + 1 : 0;
    d->mask = count ? 2 * count - 1 : 1023;
    d->places = prog_alloc((d->mask + 1) * sizeof *d->places);
    memset(d->places, 0, (d->mask + 1) * sizeof *d->places);
    for (size_t i = 0; i < count; i++)
        if (old[i].size) *find_place(d, old[i].id) = old[i];
    free(old);
}

/* Chunks are reported file by file, so only the last path can repeat. */
static uint32_t keep_path(versions_seeds *d, const char *path)
{
    const char folder = (char)(d->folder_count ? d->folder_count - 1 : 0);
    size_t size = strlen(path) + 2;
    if (d->paths_size && d->paths[d->last] == folder && !strcmp(d->paths + d->last + 1, path))
        return (uint32_t)d->last;
    if (d->paths_room - d->paths_size < size) {
        d->paths_room = 2 * d->paths_room + size + 4096;
        d->paths = realloc(d->paths, d->paths_room);
        if (!d->paths) abort();
    }
    d->last = d->paths_size;
    d->paths[d->last] = folder;
    memcpy(d->paths + d->last + 1, path, size - 1);
    d->paths_size += size;
    return (uint32_t)d->last;
}

/* Beyond 4 GiB of paths, further chunks are dropped, and fetched instead. */
static void add(void *user, const char *path, const uint8_t id[32], uint64_t at, uint32_t size)
{
    versions_seeds *d = user;
    if (2 * d->used >= d->mask) grow(d);
    place *p = find_place(d, id);
    if (p->size || d->paths_size > UINT32_MAX - PROG_PATH_SIZE_MAX) return;
    memcpy(p->id, id, sizeof p->id);
    p->offset = at;
    p->size = size;
    p->path = keep_path(d, path);
    d->used++;
}

/* versions_seed_fn */
static int read_seed(void *user, const uint8_t id[32], void *out, size_t capacity, size_t *size)
{
    const versions_seeds *d = user;
    const place *p = find_place(d, id);
    size_t done = 0;
    if (!p->size) return PROG_NOT_FOUND;
    *size = p->size;
    if (!out) return PROG_OK;
    const bool is_list = p->path == A_LIST;
    const char *path = is_list ? "a list" : d->paths + p->path + 1;
    if (p->size > capacity) return prog_fail(PROG_DAMAGED, "%s: one of its parts is too large", path);
    if (is_list) {
        memcpy(out, d->lists + p->offset, p->size);
        return PROG_OK;
    }
    const bool single = d->file >= 0;
    int fd = d->file;
    if (!single)
        fd = openat(d->folders[(uint8_t)path[-1]], path,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && done < p->size) {
        int64_t n = os_read_at(fd, p->offset + done, (uint8_t *)out + done, p->size - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (fd >= 0 && !single) close(fd);
    if (done == p->size) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", path);
}

static const prog_list all = {0}; /* nothing is left out */

/* Only listings are stored. Each is read several times before the store is removed, and most of their
   bytes are ids, which do not shrink. */
static int scan(versions_store *s, const versions_tree_publish_desc *desc, versions_published *out)
{
    versions_store_set_plain(s, true);
    const int status = versions_tree_publish(s, desc, out);
    versions_store_set_plain(s, false);
    return status;
}

static int scan_path(versions_seeds *d, versions_store *s, const char *path,
                     const versions_omit *omit, versions_stat_cache *seen,
                     versions_inventory *inventory, versions_published *out)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(d->folder_count < FOLDERS_MAX);
    if (folder < 0) return prog_fail_errno("%s", path);
    d->folders[d->folder_count++] = folder;
    const versions_tree_publish_desc desc = {.path = path, .name = "looking", .seen = seen,
                                         .inventory = inventory, .rules = &all, .omit = *omit,
                                         .locate = add, .locate_user = d};
    int status = scan(s, &desc, out);
    if (!status) versions_store_set_seed(s, read_seed, d);
    return status;
}

static versions_seeds *open_empty(void)
{
    versions_seeds *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    d->file = -1;
    versions_slots_key_make(&d->key);
    grow(d);
    return d;
}

int versions_seeds_open(versions_seeds **out, versions_store *s, const char *path,
                        const versions_omit *omit, versions_stat_cache *seen,
                        versions_inventory *inventory, uint8_t root[32], uint64_t *size)
{
    versions_published found;
    versions_seeds *d = *out = open_empty();
    versions_stat_cache *nothing =
        seen ? NULL : versions_stat_cache_open(versions_store_path(s), "seeds");
    int status = scan_path(d, s, path, omit, seen ? seen : nothing, inventory, &found);
    versions_stat_cache_close(nothing);
    if (status) return status;
    memcpy(root, found.root, sizeof found.root);
    if (size) *size = found.size;
    d->linked = found.linked;
    return PROG_OK;
}

int versions_seeds_add(versions_seeds *d, versions_store *s, const char *path,
                       const versions_omit *omit, uint8_t root[32])
{
    versions_published found;
    versions_stat_cache *nothing = versions_stat_cache_open(versions_store_path(s), "seeds");
    int status = scan_path(d, s, path, omit, nothing, NULL, &found);
    versions_stat_cache_close(nothing);
    if (!status) memcpy(root, found.root, sizeof found.root);
    return status;
}

/* >>one file ------------------------------------------------------------
   It is cut like in store/file.c, with the same bytes in its lists. So all chunks and lists that two
   versions share are found by their ids. */
typedef struct cutting {
    versions_seeds *seeds;
    const char     *path;
    dx_cas_chunker  chunker;
    dx_cas_blake3   hasher; /* of the chunk in progress, */
    uint32_t        size;   /* its size so far, */
    uint64_t        at;     /* and its start */
    dx_tree_list    list;
} cutting;

void versions_seeds_keep_list(void *seeds, const uint8_t id[32], const void *bytes, size_t size)
{
    versions_seeds *d = seeds;
    if (2 * d->used >= d->mask) grow(d);
    place *p = find_place(d, id);
    if (p->size) return;
    if (d->lists_room - d->lists_size < size) {
        d->lists_room = 2 * d->lists_room + size + 65536;
        d->lists = realloc(d->lists, d->lists_room);
        if (!d->lists) abort();
    }
    memcpy(d->lists + d->lists_size, bytes, size);
    memcpy(p->id, id, sizeof p->id);
    p->offset = d->lists_size;
    p->size = (uint32_t)size;
    p->path = A_LIST;
    d->lists_size += size;
    d->used++;
}

static int put_list(void *user, const void *data, size_t size, uint8_t id[32])
{
    versions_list_id(data, size, id);
    versions_seeds_keep_list(user, id, data, size);
    return PROG_OK;
}

static int end_chunk(cutting *c)
{
    uint8_t id[32];
    dx_cas_blake3_final(&c->hasher, id, sizeof id);
    dx_cas_blake3_init(&c->hasher);
    add(c->seeds, c->path, id, c->at, c->size);
    int status = dx_tree_list_add(&c->list, id, c->size);
    c->at += c->size;
    c->size = 0;
    return status < 0 ? prog_fail(PROG_REFUSED, "%s: %s", c->path, dx_tree_error_name(status))
                      : status;
}

static int cut_bytes(cutting *c, const uint8_t *bytes, size_t size)
{
    int status = PROG_OK;
    while (!status && size) {
        bool ends = false;
        const size_t n = dx_cas_chunker_next(&c->chunker, bytes, size, &ends);
        dx_cas_blake3_update(&c->hasher, bytes, n);
        c->size += (uint32_t)n;
        bytes += n;
        size -= n;
        if (ends) status = end_chunk(c);
    }
    return status;
}

static int cut_file(cutting *c, int fd)
{
    uint8_t *buffer = prog_alloc(PROG_IO_SIZE);
    int status = PROG_OK;
    int64_t n = 0;
    while (!status && (n = os_read_at(fd, c->at + c->size, buffer, PROG_IO_SIZE)) > 0) {
        status = cut_bytes(c, buffer, (size_t)n);
        prog_progress("looking", c->at, 0, false);
    }
    free(buffer);
    if (n < 0 && !status) status = prog_fail_errno("%s", c->path);
    return status || !c->size ? status : end_chunk(c);
}

static int check_file(versions_seeds *d, const char *path, dx_tree_entry *file)
{
    const dx_cas_chunker_desc as_stored = {0};
    d->file = os_open(path);
    if (d->file < 0) return prog_fail_errno("%s", path);
    void *memory = prog_alloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX);
    cutting *c = prog_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->seeds = d;
    c->path = path;
    (void)dx_cas_chunker_init(&c->chunker, &as_stored);
    dx_cas_blake3_init(&c->hasher);
    dx_tree_list_begin(&c->list, memory, put_list, d);
    int status = cut_file(c, d->file);
    prog_progress(NULL, 0, 0, true);
    if (!status && c->at)
        status = dx_tree_list_finish(&c->list, file->id, &file->level, &file->size);
    if (status < 0) status = prog_fail(PROG_REFUSED, "%s: %s", path, dx_tree_error_name(status));
    free(c);
    free(memory);
    return status;
}

int versions_seeds_open_file(versions_seeds **out, versions_store *s, const char *path,
                             dx_tree_entry *file)
{
    versions_seeds *d = *out = open_empty();
    memset(file, 0, sizeof *file);
    file->type = DX_TREE_FILE;
    int status = path ? check_file(d, path, file) : PROG_OK;
    if (!status) versions_store_set_seed(s, read_seed, d);
    return status;
}

static void forget(void *user, const char *path, const uint8_t id[32], uint64_t at, uint32_t size)
{
    (void)user;
    (void)path;
    (void)id;
    (void)at;
    (void)size;
}

static void note_torn(void *user, const char *path)
{
    (void)path;
    *(bool *)user = true;
}

bool versions_seeds_again(versions_store *s, const char *path, const versions_omit *omit,
                          versions_stat_cache *seen, const char *changed, uint8_t root[32])
{
    bool torn = false;
    versions_published found;
    const versions_tree_publish_desc desc = {.path = path, .name = "looking", .seen = seen,
                                         .rules = &all, .omit = *omit, .locate = forget,
                                         .torn = note_torn, .torn_user = &torn,
                                         .last = changed ? root : NULL,
                                         .changed = changed ? &changed : NULL,
                                         .changed_count = changed != NULL};
    if (scan(s, &desc, &found)) return false;
    memcpy(root, found.root, sizeof found.root);
    return !torn && !found.missed && !found.needs_all && !(changed && found.linked);
}

bool versions_seeds_linked(const versions_seeds *d) { return d->linked; }

void versions_seeds_close(versions_seeds *d)
{
    if (!d) return;
    while (d->folder_count) close(d->folders[--d->folder_count]);
    if (d->file >= 0) close(d->file);
    free(d->places);
    free(d->paths);
    free(d->lists);
    free(d);
}
#endif
