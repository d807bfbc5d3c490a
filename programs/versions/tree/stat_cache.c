/* A cache of the files that the last publish of a name saw. A file with the same size, times and inode
   is not read again. It is only a hint: a damaged or missing cache is empty, and an entry counts only
   if the store has its object.

       "DXSEEN2\n" | count | id of the snapshot | count of lists, their bytes | sorted rows of 80
       bytes | sorted list rows of 48 bytes | lists | hash of all before it
       row:      inode, device, size, mtime, ctime | id of the content, or the content itself | level
                 | 1: it has no attributes
       list row: id of the list | its offset in the lists | size

   Only a pull stores lists of chunks, because its store is empty; a publish finds them in its own
   store. Their size is limited; a file whose lists are missing, or do not match their ids, is read.

   As in git's index, a file that was modified within the last two seconds is not stored: it may change
   again within the same time stamp. Two seconds is the coarsest resolution in use. For files that a
   pull makes itself, it has better information and need not wait:

       fresh     made in the staging directory, where no other process writes. Once the clock of the
                 file system has passed their times before the exchange, every later change gets
                 another time.
       moves     adding a second name, and removing the first, change a file's ctime. A stat call comes
                 just before. If the new ctime lies between that call and the end of the change, the
                 change has set it: nothing has changed the file since. If stat returned the expected
                 ctime, nothing has changed it earlier either. If this takes more than 10 ms, the move
                 is dropped, and the file is read. Its mtime is at least two seconds old.
       settled   the two, and the result of the pull's scan: the present content of the destination */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "../../common/os.h"
#include "../../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROW_SIZE = 80,
    KEY_SIZE = 40, /* of a row: the fields from stat */
    LIST_ROW_SIZE = 48,
    HEAD_SIZE = 64,
    HASH_SIZE = 32,
    RACY_NS = 2000000000,
    STARTS = 65536,
    LISTS_SIZE_MAX = 64 << 20, /* limit for stored lists: those of about 55 GB of files */
    FILE_SIZE = 32,            /* of a key: everything except the ctime */
    TICK_NS = 10000000,        /* the coarsest clock of the Linux file systems */
    MOVE_NS_MAX = 10000000,
    SETTLE_TRIES = 20          /* of a millisecond */
};

typedef struct rows {
    uint8_t *bytes;
    size_t   count, room; /* rows */
} rows;

struct versions_stat_cache {
    rows   before, now;
    rows   settled; /* sorted by key */
    rows   fresh;
    rows   moves;   /* the key before, the time of its stat, the time after the change */
    int64_t fresh_ns; /* the latest ctime in `fresh` */
    int64_t clock_ns; /* a time of the file system's clock after that */
    pthread_mutex_t lock; /* guards fresh and moves, and settled after settle() */
    size_t mapped; /* size of the mapping that has `before` */
    bool   news;   /* a file was read */
    const void *map;
    const uint8_t *list_rows, *lists; /* in the mapping */
    size_t list_count, lists_size;
    rows   kept_rows, kept; /* list rows, and the bytes of the lists, to be saved */
    uint32_t *starts, *settled_starts; /* indexes of `before` and `settled`, see index_rows() */
    char   path[PROG_PATH_SIZE_MAX + 64];
};

static void store64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(value >> (8 * i) & 0xff);
}

static uint64_t load64(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | from[i];
    return value;
}

/* Make room for one more element of `each` bytes. NULL: out of memory, skip it. */
static uint8_t *append(rows *r, size_t each, size_t count)
{
    assert(r->count <= r->room);
    if (r->room - r->count < count) {
        const size_t room = r->room + r->room / 2 + count + 1024;
        uint8_t *bytes = realloc(r->bytes, room * each);
        if (!bytes) return NULL;
        r->bytes = bytes;
        r->room = room;
    }
    uint8_t *at = r->bytes + r->count * each;
    r->count += count;
    return at;
}

static void store_row(uint8_t *row, const versions_stat_file *f)
{
    const uint64_t numbers[5] = {f->inode, f->device, f->size, (uint64_t)f->mtime_ns,
                                 (uint64_t)f->ctime_ns};
    for (int i = 0; i < 5; i++) store64(row + 8 * i, numbers[i]);
    memcpy(row + 40, f->id, 32);
    memset(row + 72, 0, 8);
    row[72] = f->level;
    row[73] = f->plain;
}

static int compare_rows(const void *a, const void *b) { return memcmp(a, b, 16); }
static int compare_keys(const void *a, const void *b) { return memcmp(a, b, KEY_SIZE); }
static int compare_ids(const void *a, const void *b) { return memcmp(a, b, 32); }

static void hash_rows(const uint8_t *bytes, size_t size, uint8_t out[32])
{
    dx_cas_id id;
    dx_cas_hash(bytes, size, &id);
    memcpy(out, id.bytes, 32);
}

static unsigned start_of(const uint8_t *row) { return (unsigned)row[0] << 8 | row[1]; }

/* Make the index of sorted rows. They begin with the low bytes of inodes, which are evenly distributed.
   STARTS + 1 entries: the first row whose first two bytes are at least the position in the index. */
static uint32_t *index_rows(const rows *r)
{
    unsigned next = 0;
    uint32_t *starts = prog_alloc((STARTS + 1) * sizeof *starts);
    for (size_t i = 0; i < r->count; i++)
        for (unsigned at = start_of(r->bytes + i * ROW_SIZE); next <= at; next++)
            starts[next] = (uint32_t)i;
    while (next <= STARTS) starts[next++] = (uint32_t)r->count;
    return starts;
}

/* Sort rows: by their first two bytes in one pass, then the few rows that share these.
   Returns the index. */
static uint32_t *sort_rows(rows *r)
{
    uint32_t *starts = prog_alloc((STARTS + 1) * sizeof *starts);
    uint8_t *sorted = prog_alloc(r->count * ROW_SIZE + 1);
    memset(starts, 0, (STARTS + 1) * sizeof *starts);
    for (size_t i = 0; i < r->count; i++) starts[start_of(r->bytes + i * ROW_SIZE) + 1]++;
    for (unsigned i = 0; i < STARTS; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < r->count; i++) { /* advances each start to that of the next */
        const uint8_t *row = r->bytes + i * ROW_SIZE;
        memcpy(sorted + (size_t)starts[start_of(row)]++ * ROW_SIZE, row, ROW_SIZE);
    }
    memmove(starts + 1, starts, STARTS * sizeof *starts);
    starts[0] = 0;
    for (unsigned i = 0; i < STARTS; i++) {
        const size_t count = starts[i + 1] - starts[i];
        if (count > 1)
            qsort(sorted + (size_t)starts[i] * ROW_SIZE, count, ROW_SIZE, compare_keys);
    }
    free(r->bytes);
    r->bytes = sorted;
    r->room = r->count;
    return starts;
}

/* The first row of that file; r->count: none. */
static size_t first_of_file(const rows *r, const uint32_t *starts, const uint8_t *key)
{
    size_t low = starts[start_of(key)], high = starts[start_of(key) + 1];
    const size_t end = high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (memcmp(r->bytes + middle * ROW_SIZE, key, FILE_SIZE) < 0) low = middle + 1;
        else high = middle;
    }
    return low < end && !memcmp(r->bytes + low * ROW_SIZE, key, FILE_SIZE) ? low : r->count;
}

/* Are all parts of the file present, without gaps or additional bytes? */
static bool parse(versions_stat_cache *s)
{
    const uint8_t *p = s->map;
    uint8_t hash[HASH_SIZE];
    size_t left = s->mapped - HEAD_SIZE - HASH_SIZE;
    if (memcmp(p, "DXSEEN2\n", 8) != 0) return false;
    const uint64_t count = load64(p + 8), lists = load64(p + 48), size = load64(p + 56);
    if (count > left / ROW_SIZE) return false;
    left -= (size_t)count * ROW_SIZE;
    if (lists > left / LIST_ROW_SIZE) return false;
    left -= (size_t)lists * LIST_ROW_SIZE;
    if (size != left) return false;
    hash_rows(p, s->mapped - HASH_SIZE, hash);
    if (memcmp(hash, p + s->mapped - HASH_SIZE, HASH_SIZE) != 0) return false;
    s->before.bytes = (uint8_t *)(uintptr_t)s->map + HEAD_SIZE;
    s->before.count = (size_t)count;
    s->list_rows = s->before.bytes + s->before.count * ROW_SIZE;
    s->list_count = (size_t)lists;
    s->lists = s->list_rows + s->list_count * LIST_ROW_SIZE;
    s->lists_size = (size_t)size;
    return true;
}

/* Map the file and check it; any error leaves the cache empty. */
static void load(versions_stat_cache *s)
{
    struct stat st;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= HEAD_SIZE + HASH_SIZE &&
        st.st_size < INT32_MAX) {
        s->mapped = (size_t)st.st_size;
        s->map = os_map(fd, s->mapped);
    }
    close(fd);
    if (s->map && parse(s)) s->starts = index_rows(&s->before);
}

versions_stat_cache *versions_stat_cache_open_at(const char *path)
{
    versions_stat_cache *s = prog_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
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

static bool parse_row(const uint8_t *row, versions_stat_file *f)
{
    memcpy(f->id, row + KEY_SIZE, 32);
    f->level = row[72];
    f->plain = row[73] == 1;
    return f->level <= DX_TREE_LEVELS_MAX || f->level == DX_TREE_INLINE;
}

static int64_t ctime_of(const uint8_t *row) { return (int64_t)load64(row + FILE_SIZE); }

/* The uncertainty of a row's ctime, in ns after the stored one; 0 unless a move has set it. */
static uint32_t span_of(const uint8_t *row)
{
    return (uint32_t)row[76] | (uint32_t)row[77] << 8 | (uint32_t)row[78] << 16 |
           (uint32_t)row[79] << 24;
}

static void set_ctime(uint8_t *row, int64_t from_ns, uint32_t span_ns)
{
    store64(row + FILE_SIZE, (uint64_t)from_ns);
    for (int i = 0; i < 4; i++) row[76 + i] = (uint8_t)(span_ns >> (8 * i) & 0xff);
}

static bool has_ctime(const uint8_t *row, int64_t ctime_ns)
{
    const int64_t from_ns = ctime_of(row);
    return ctime_ns >= from_ns && ctime_ns <= from_ns + (int64_t)span_of(row);
}

/* Find a row. From then on it has the ctime that was found. */
static bool find_settled(versions_stat_cache *s, const uint8_t *key, versions_stat_file *f)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = first_of_file(&s->settled, s->settled_starts, key); i < s->settled.count; i++) {
        uint8_t *row = s->settled.bytes + i * ROW_SIZE;
        if (memcmp(row, key, FILE_SIZE) != 0) break;
        if (!has_ctime(row, f->ctime_ns)) continue;
        set_ctime(row, f->ctime_ns, 0);
        found = parse_row(row, f);
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool versions_stat_cache_find(versions_stat_cache *s, versions_stat_file *f)
{
    uint8_t key[ROW_SIZE];
    f->level = 0;
    store_row(key, f);
    if (s->settled.count && find_settled(s, key, f)) return true;
    if (!s->starts) return false;
    assert(s->before.bytes);
    size_t low = s->starts[start_of(key)], high = s->starts[start_of(key) + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint8_t *row = s->before.bytes + middle * ROW_SIZE;
        int order = compare_rows(key, row);
        if (!order) return !memcmp(key, row, KEY_SIZE) && parse_row(row, f);
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return false;
}

void versions_stat_cache_add(versions_stat_cache *s, const versions_stat_file *f, int64_t now_ns,
                             bool fresh)
{
    s->news |= fresh;
    /* a file found in the cache was old enough then, and is unchanged */
    if (fresh && (f->mtime_ns > now_ns - RACY_NS || f->ctime_ns > now_ns - RACY_NS)) return;
    uint8_t *row = append(&s->now, ROW_SIZE, 1);
    if (row) store_row(row, f);
}

/* >>pulls -------------------------------------------------------------- */
void versions_stat_cache_made(versions_stat_cache *s, const versions_stat_file *f)
{
    pthread_mutex_lock(&s->lock);
    uint8_t *row = append(&s->fresh, ROW_SIZE, 1);
    if (row) store_row(row, f);
    if (f->ctime_ns > s->fresh_ns) s->fresh_ns = f->ctime_ns;
    pthread_mutex_unlock(&s->lock);
}

void versions_stat_cache_link(versions_stat_cache *s, const versions_stat_file *f, int64_t from_ns)
{
    const int64_t until_ns = prog_time_ns();
    if (until_ns < from_ns || until_ns - from_ns > MOVE_NS_MAX) return;
    pthread_mutex_lock(&s->lock);
    uint8_t *move = append(&s->moves, ROW_SIZE, 1);
    if (move) {
        store_row(move, f);
        store64(move + KEY_SIZE, (uint64_t)from_ns);
        store64(move + KEY_SIZE + 8, (uint64_t)until_ns);
    }
    pthread_mutex_unlock(&s->lock);
}

void versions_stat_cache_unlinked(void *cache, const os_info *before, int64_t from_ns)
{
    versions_stat_file f = {.device = before->volume, .inode = before->number, .size = before->size,
                            .mtime_ns = before->mtime_ns, .ctime_ns = before->ctime_ns};
    versions_stat_cache_link(cache, &f, from_ns);
}

void versions_stat_cache_pass(versions_stat_cache *s, const char *path)
{
    if (!s->fresh.count) return;
    for (int i = 0; i < SETTLE_TRIES; i++) {
        s->clock_ns = os_file_time_ns(path);
        if (s->clock_ns > s->fresh_ns || !s->clock_ns) return;
        os_sleep_ns(1000000);
    }
}

/* Find the move of the row's file that started with the row's ctime, and after `last_ns`, the start
   of the previous move. NULL: none. first: of the moves of this file. */
static const uint8_t *find_move(const rows *moves, size_t first, const uint8_t *row,
                                int64_t last_ns)
{
    for (size_t i = first; i < moves->count; i++) {
        const uint8_t *move = moves->bytes + i * ROW_SIZE;
        if (memcmp(move, row, FILE_SIZE) != 0) return NULL;
        if ((int64_t)load64(move + KEY_SIZE) > last_ns && has_ctime(row, ctime_of(move)))
            return move;
    }
    return NULL;
}

/* Apply moves to a row. If the clock of the file system ticks, the ctime is the time of the last
   tick, so the range starts one tick earlier. */
static void follow_moves(const rows *moves, const uint32_t *starts, uint8_t *row)
{
    const size_t first = first_of_file(moves, starts, row);
    int64_t last_ns = INT64_MIN;
    const uint8_t *move;
    while ((move = find_move(moves, first, row, last_ns)) != NULL) {
        last_ns = (int64_t)load64(move + KEY_SIZE);
        const int64_t until_ns = (int64_t)load64(move + KEY_SIZE + 8);
        set_ctime(row, last_ns - TICK_NS, (uint32_t)(until_ns - last_ns) + TICK_NS);
    }
}

void versions_stat_cache_settle(versions_stat_cache *s)
{
    uint32_t *starts = sort_rows(&s->moves);
    for (size_t i = 0; i < s->now.count; i++)
        follow_moves(&s->moves, starts, s->now.bytes + i * ROW_SIZE);
    free(starts);
    for (size_t i = 0; i < s->fresh.count; i++) {
        const uint8_t *made = s->fresh.bytes + i * ROW_SIZE;
        if ((int64_t)load64(made + 32) >= s->clock_ns) continue;
        uint8_t *row = append(&s->now, ROW_SIZE, 1);
        if (row) memcpy(row, made, ROW_SIZE);
    }
    free(s->settled_starts);
    s->settled_starts = sort_rows(&s->now);
    free(s->settled.bytes);
    s->settled = s->now;
    s->fresh.count = s->moves.count = 0;
    s->now = (rows){0};
    s->news = true;
}

void versions_stat_cache_take_settled(versions_stat_cache *s)
{
    assert(!s->now.count);
    free(s->now.bytes);
    s->now = s->settled;
    s->settled = (rows){0};
}

/* >>lists -------------------------------------------------------------- */
const void *versions_stat_cache_list(const versions_stat_cache *s, const uint8_t id[32],
                                     size_t *size)
{
    if (!s->list_count) return NULL;
    const uint8_t *row = bsearch(id, s->list_rows, s->list_count, LIST_ROW_SIZE, compare_ids);
    if (!row) return NULL;
    const uint64_t at = load64(row + 32), is = load64(row + 40);
    if (at > s->lists_size || is > s->lists_size - at || is > DX_TREE_LIST_SIZE_MAX) return NULL;
    *size = (size_t)is;
    return s->lists + at;
}

/* Store the list, and the lists below it, which have level - 1. buffer: for the lists of
   all levels below. */
static void keep_list(versions_stat_cache *s, versions_store *store, const uint8_t id[32],
                      uint32_t level, uint64_t total, uint8_t *buffer)
{
    dx_tree_list_view v;
    size_t size = 0;
    if (!versions_object_has(store, id, 0) ||
        versions_object_get(store, id, buffer, DX_TREE_LIST_SIZE_MAX, &size) ||
        dx_tree_list_open(&v, buffer, size, level, total) || size > LISTS_SIZE_MAX - s->kept.count)
        return;
    const size_t at = s->kept.count;
    uint8_t *list = append(&s->kept, 1, size);
    uint8_t *row = list ? append(&s->kept_rows, LIST_ROW_SIZE, 1) : NULL;
    if (!row) return;
    memcpy(list, buffer, size);
    memcpy(row, id, 32);
    store64(row + 32, at);
    store64(row + 40, size);
    for (uint32_t i = 0; level > 1 && i < v.count; i++) {
        uint64_t under;
        const uint8_t *child = dx_tree_list_child(&v, i, &under);
        keep_list(s, store, child, level - 1, under, buffer + DX_TREE_LIST_SIZE_MAX);
    }
}

void versions_stat_cache_keep_lists(versions_stat_cache *s, versions_store *store)
{
    uint8_t *buffers = prog_alloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX);
    s->kept.count = s->kept_rows.count = 0;
    for (size_t i = 0; i < s->now.count; i++) {
        const uint8_t *row = s->now.bytes + i * ROW_SIZE;
        if (row[72] && row[72] <= DX_TREE_LEVELS_MAX)
            keep_list(s, store, row + KEY_SIZE, row[72], load64(row + 16), buffers);
    }
    if (s->kept_rows.count)
        qsort(s->kept_rows.bytes, s->kept_rows.count, LIST_ROW_SIZE, compare_ids);
    free(buffers);
}

/* >>save --------------------------------------------------------------- */
bool versions_stat_cache_is_of(const versions_stat_cache *s, const uint8_t root[32])
{
    return s->before.bytes && !memcmp((const uint8_t *)s->map + 16, root, 32);
}

bool versions_stat_cache_is_news(const versions_stat_cache *s)
{
    return s->news || s->now.count != s->before.count;
}

static uint8_t *put(uint8_t *to, const rows *r, size_t each)
{
    if (r->count) memcpy(to, r->bytes, r->count * each);
    return to + r->count * each;
}

void versions_stat_cache_save(versions_stat_cache *s, const uint8_t root[32])
{
    char next[sizeof s->path + 8];
    if (!s->now.count) {
        unlink(s->path);
        return;
    }
    if (!versions_stat_cache_is_news(s) && versions_stat_cache_is_of(s, root)) return;
    const size_t size = HEAD_SIZE + s->now.count * ROW_SIZE + s->kept_rows.count * LIST_ROW_SIZE +
                        s->kept.count;
    uint8_t *bytes = prog_alloc(size + HASH_SIZE);
    free(sort_rows(&s->now));
    memcpy(bytes, "DXSEEN2\n", 8);
    store64(bytes + 8, s->now.count);
    memcpy(bytes + 16, root, 32);
    store64(bytes + 48, s->kept_rows.count);
    store64(bytes + 56, s->kept.count);
    uint8_t *at = put(bytes + HEAD_SIZE, &s->now, ROW_SIZE);
    at = put(at, &s->kept_rows, LIST_ROW_SIZE);
    at = put(at, &s->kept, 1);
    assert(at == bytes + size);
    hash_rows(bytes, size, at);
    snprintf(next, sizeof next, "%s.new", s->path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && prog_write_all(fd, bytes, size + HASH_SIZE);
    if (fd >= 0 && (close(fd) < 0 || !good || rename(next, s->path) < 0)) unlink(next);
    free(bytes);
}

void versions_stat_cache_close(versions_stat_cache *s)
{
    if (!s) return;
    if (s->map) os_unmap(s->map, s->mapped);
    free(s->now.bytes);
    free(s->settled.bytes);
    free(s->fresh.bytes);
    free(s->moves.bytes);
    free(s->kept_rows.bytes);
    free(s->kept.bytes);
    free(s->starts);
    free(s->settled_starts);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
#endif
