/* A cache of what the last publish of a name saw. A file with the same size, times and inode is not
   read again. It is only a hint: a damaged or missing cache is empty, and an entry counts only if
   the store has its object.

       "DXSEEN1\n" | count | id of the snapshot | sorted rows of 80 bytes | hash of all before it
       row: inode, device, size, mtime, ctime | id of the content, or the content itself | level
            | 1: it has no attributes

   As in git's index, a file that was modified within the last two seconds is not kept: it may
   change again within the same time stamp. Two seconds is the coarsest resolution in use. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "../../common/os.h"
#include "../../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_SIZE = 80, HEAD_SIZE = 48, RACY_NS = 2000000000, STARTS = 65536 };

typedef struct rows {
    uint8_t *bytes;
    size_t   count, room;
} rows;

struct versions_stat_cache {
    rows   before, now;
    size_t mapped; /* bytes of the file that before lies in */
    bool   news;   /* something was read */
    const void *map;
    /* STARTS + 1 entries: the first row of `before` whose first two bytes are these, or more */
    uint32_t *starts;
    char   path[PROG_PATH_SIZE_MAX + 64];
};

static void store_row(uint8_t *row, const versions_stat_file *f)
{
    const uint64_t numbers[5] = {f->inode, f->device, f->size, (uint64_t)f->mtime_ns,
                                 (uint64_t)f->ctime_ns};
    for (int i = 0; i < 40; i++) row[i] = (uint8_t)(numbers[i / 8] >> (i % 8 * 8) & 0xff);
    memcpy(row + 40, f->id, 32);
    memset(row + 72, 0, 8);
    row[72] = f->level;
    row[73] = f->plain;
}

static int compare_rows(const void *a, const void *b) { return memcmp(a, b, 16); }

static void hash_rows(const uint8_t *bytes, size_t size, uint8_t out[32])
{
    dx_cas_id id;
    dx_cas_hash(bytes, size, &id);
    memcpy(out, id.bytes, 32);
}

static unsigned start_of(const uint8_t *row) { return (unsigned)row[0] << 8 | row[1]; }

/* Rows begin with the low bytes of inodes, which are spread evenly. */
static void index_rows(versions_stat_cache *s)
{
    unsigned next = 0;
    assert(!s->starts);
    s->starts = prog_alloc((STARTS + 1) * sizeof *s->starts);
    for (size_t i = 0; i < s->before.count; i++)
        for (unsigned at = start_of(s->before.bytes + i * ROW_SIZE); next <= at; next++)
            s->starts[next] = (uint32_t)i;
    while (next <= STARTS) s->starts[next++] = (uint32_t)s->before.count;
}

/* Map the file and check it; anything wrong leaves the cache empty. */
static void load(versions_stat_cache *s)
{
    struct stat st;
    uint8_t hash[32];
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && st.st_size >= HEAD_SIZE + 32 && st.st_size < INT32_MAX) {
        s->mapped = (size_t)st.st_size;
        s->map = os_map(fd, s->mapped);
    }
    close(fd);
    if (!s->map) return;
    const uint8_t *p = s->map;
    size_t body = s->mapped - HEAD_SIZE - 32;
    uint64_t count = 0;
    for (int i = 7; i >= 0; i--) count = count << 8 | p[8 + i];
    if (memcmp(p, "DXSEEN1\n", 8) != 0 || body % ROW_SIZE || count != body / ROW_SIZE) return;
    hash_rows(p, s->mapped - 32, hash);
    if (memcmp(hash, p + s->mapped - 32, 32) != 0) return;
    s->before.bytes = (uint8_t *)(uintptr_t)s->map + HEAD_SIZE;
    s->before.count = body / ROW_SIZE;
    index_rows(s);
}

versions_stat_cache *versions_stat_cache_open_at(const char *path)
{
    versions_stat_cache *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    assert(strlen(path) < sizeof s->path);
    memcpy(s->path, path, strlen(path) + 1);
    load(s);
    return s;
}

versions_stat_cache *versions_stat_cache_open(const char *store, const char *name)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    uint8_t hash[32];
    hash_rows((const uint8_t *)name, strlen(name), hash);
    snprintf(path, sizeof path, "%s/seen-%02x%02x%02x%02x%02x%02x%02x%02x", store, hash[0], hash[1],
             hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]);
    return versions_stat_cache_open_at(path);
}

bool versions_stat_cache_any(const versions_stat_cache *s) { return s->before.count > 0; }

bool versions_stat_cache_find(const versions_stat_cache *s, versions_stat_file *f)
{
    uint8_t key[ROW_SIZE];
    if (!s->starts) return false;
    f->level = 0;
    store_row(key, f);
    assert(s->before.bytes);
    size_t low = s->starts[start_of(key)], high = s->starts[start_of(key) + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint8_t *row = s->before.bytes + middle * ROW_SIZE;
        int order = compare_rows(key, row);
        if (!order) {
            if (memcmp(key, row, 40) != 0) break;
            memcpy(f->id, row + 40, 32);
            f->level = row[72];
            f->plain = row[73] == 1;
            return f->level <= DX_TREE_LEVELS_MAX || f->level == DX_TREE_INLINE;
        }
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return false;
}

void versions_stat_cache_add(versions_stat_cache *s, const versions_stat_file *f, int64_t now_ns,
                             bool fresh)
{
    rows *r = &s->now;
    s->news |= fresh;
    if (f->mtime_ns > now_ns - RACY_NS || f->ctime_ns > now_ns - RACY_NS) return;
    if (r->count == r->room) {
        size_t room = r->room + r->room / 2 + 1024;
        uint8_t *bytes = realloc(r->bytes, HEAD_SIZE + room * ROW_SIZE + 32);
        if (!bytes) return;
        r->bytes = bytes;
        r->room = room;
    }
    assert(r->count < r->room);
    store_row(r->bytes + HEAD_SIZE + r->count++ * ROW_SIZE, f);
}

bool versions_stat_cache_is_of(const versions_stat_cache *s, const uint8_t root[32])
{
    return s->before.bytes && !memcmp(s->before.bytes - 32, root, 32);
}

void versions_stat_cache_save(versions_stat_cache *s, const uint8_t root[32])
{
    char next[sizeof s->path + 8];
    rows *r = &s->now;
    if (!r->bytes) {
        unlink(s->path);
        return;
    }
    if (!s->news && r->count == s->before.count && versions_stat_cache_is_of(s, root)) return;
    size_t size = HEAD_SIZE + r->count * ROW_SIZE;
    qsort(r->bytes + HEAD_SIZE, r->count, ROW_SIZE, compare_rows);
    memcpy(r->bytes, "DXSEEN1\n", 8);
    for (int i = 0; i < 8; i++) r->bytes[8 + i] = (uint8_t)((uint64_t)r->count >> (8 * i) & 0xff);
    memcpy(r->bytes + 16, root, 32);
    hash_rows(r->bytes, size, r->bytes + size);
    snprintf(next, sizeof next, "%s.new", s->path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    bool good = prog_write_all(fd, r->bytes, size + 32);
    if (close(fd) < 0 || !good || rename(next, s->path) < 0) unlink(next);
}

void versions_stat_cache_close(versions_stat_cache *s)
{
    if (!s) return;
    if (s->map) os_unmap(s->map, s->mapped);
    free(s->now.bytes);
    free(s->starts);
    free(s);
}
#endif
