/* A table of the chunks of directories: a publish that stores none of them says where they are.
   Several threads read from them; each read opens the file again, and what it brings is verified
   by its caller, because the file may have changed. */
#include "seeds.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDERS_MAX = 2 };

typedef struct place {
    uint8_t  id[32];
    uint64_t offset;
    uint32_t size;   /* 0: a free slot */
    uint32_t path;   /* its file's, in paths */
} place;

struct versions_seeds {
    int                folders[FOLDERS_MAX];
    uint8_t            folder_count;
    bool               linked; /* a file of the first has several names */
    place             *places; /* open addressing; one slot at least is free */
    size_t             mask, used;
    versions_slots_key key;
    char              *paths;  /* one behind another: which folder, the path in it, a zero */
    size_t             paths_size, paths_room;
    size_t             last;  /* the path that was added last */
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

/* Chunks come file by file, so only the last path can be the same. */
static uint32_t keep_path(versions_seeds *d, const char *path)
{
    const char folder = (char)(d->folder_count - 1);
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

/* Beyond 4 GiB of paths chunks are forgotten, and fetched once more. */
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
    const char *path = d->paths + p->path + 1;
    if (p->size > capacity) return prog_fail(PROG_DAMAGED, "%s: a part is too large", path);
    int fd = openat(d->folders[(uint8_t)path[-1]], path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && done < p->size) {
        int64_t n = os_read_at(fd, p->offset + done, (uint8_t *)out + done, p->size - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (fd >= 0) close(fd);
    if (done == p->size) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", path);
}

static const prog_list all = {0}; /* nothing is left out */

static int look(versions_seeds *d, versions_store *s, const char *path, const versions_omit *omit,
                versions_stat_cache *seen, versions_published *out)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(d->folder_count < FOLDERS_MAX);
    if (folder < 0) return prog_fail_errno("%s", path);
    d->folders[d->folder_count++] = folder;
    const versions_tree_publish_desc desc = {.path = path, .name = "looking", .seen = seen,
                                         .rules = &all, .omit = *omit, .locate = add,
                                         .locate_user = d};
    int status = versions_tree_publish(s, &desc, out);
    if (!status) versions_store_set_seed(s, read_seed, d);
    return status;
}

int versions_seeds_open(versions_seeds **out, versions_store *s, const char *path,
                        const versions_omit *omit, versions_stat_cache *seen, uint8_t root[32],
                        uint64_t *size)
{
    versions_published found;
    versions_seeds *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    versions_slots_key_make(&d->key);
    grow(d);
    *out = d;
    versions_stat_cache *nothing =
        seen ? NULL : versions_stat_cache_open(versions_store_path(s), "seeds");
    int status = look(d, s, path, omit, seen ? seen : nothing, &found);
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
    int status = look(d, s, path, omit, nothing, &found);
    versions_stat_cache_close(nothing);
    if (!status) memcpy(root, found.root, sizeof found.root);
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

bool versions_seeds_again(const versions_seeds *d, versions_store *s, const char *path,
                          const versions_omit *omit, versions_stat_cache *seen, const char *changed,
                          uint8_t root[32])
{
    bool torn = false;
    versions_published found;
    const versions_tree_publish_desc desc = {.path = path, .name = "looking", .seen = seen,
                                         .rules = &all, .omit = *omit, .locate = forget,
                                         .torn = note_torn, .torn_user = &torn, .last = root,
                                         .changed = &changed, .changed_count = 1};
    if (d->linked || versions_tree_publish(s, &desc, &found)) return false;
    memcpy(root, found.root, sizeof found.root);
    return !torn && !found.missed && !found.needs_all && !found.linked;
}

bool versions_seeds_linked(const versions_seeds *d) { return d->linked; }

void versions_seeds_close(versions_seeds *d)
{
    if (!d) return;
    while (d->folder_count) close(d->folders[--d->folder_count]);
    free(d->places);
    free(d->paths);
    free(d);
}
#endif
