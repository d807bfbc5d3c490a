/* A cache of the files that the last publish of a name saw. A file with the same size, times and inode
   is not read again. It is only a hint: a damaged or missing cache is empty, and an entry counts only
   if the store has its object.

       "DXSEEN3\n" | count | id of the snapshot | count of lists, their bytes | sorted rows of 80
       bytes | sorted list rows of 48 bytes | lists | hash of all before it
       row:      inode (big-endian, so that the order of bytes is that of numbers), device, size, mtime, ctime | id of the content, or the content itself | level
                 | 1: it has no attributes
       list row: id of the list | its offset in the lists | size

   A million rows take 80 MB, so the file is never in memory as a whole. Rows are sorted by inode, which
   is nearly the order of a walk: find() uses few pages at a time, and they are released behind it. A
   publish remembers a row that is still right as one bit. It sorts new rows in runs, in a file without
   a name, and save() merges everything into the new file:

       before   | row | row | row | row | ...      kept   1 0 1 1 ...
       runs     | sorted rows | sorted rows |       now   | rows |

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

#ifndef VERSIONS_RUN_ROWS
  #define VERSIONS_RUN_ROWS 32768 /* less for tests */
#endif

enum {
    ROW_SIZE = 80,
    KEY_SIZE = 40, /* of a row: the fields from stat */
    LIST_ROW_SIZE = 48,
    HEAD_SIZE = 64,
    HASH_SIZE = 32,
    RACY_NS = 2000000000,
    STARTS = 65536,
    STEP = 64,                 /* rows: the first of each step is in memory, for the search */
    RUN_ROWS = VERSIONS_RUN_ROWS,
    RELEASE_ROWS = RUN_ROWS / 2, /* after so many the pages are released */
    WRITE_SIZE = 65536,
    RUNS_MAX = 4096,
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
    uint8_t (*steps)[16];     /* the first bytes of every STEP-th row of `before` */
    uint32_t *settled_starts; /* index of `settled`, see sort_rows() */
    uint8_t  *kept_bits;      /* one for each row of `before`; NULL: for a pull */
    size_t   kept_count, added;
    uint8_t  *runs;           /* sorted, RUN_ROWS each; in a file */
    size_t   run_count, run_room;
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
    for (int i = 1; i < 5; i++) store64(row + 8 * i, numbers[i]);
    for (int i = 0; i < 8; i++) row[i] = (uint8_t)(f->inode >> (56 - 8 * i) & 0xff);
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

/* The low bytes of inodes are evenly distributed. */
static unsigned start_of(const uint8_t *row) { return (unsigned)row[7] << 8 | row[6]; }

/* Sort rows in memory for a search: by start_of() in one pass, then the few rows that share it. Returns
   the index: STARTS + 1 entries, the first row whose start_of() is at least the position in the index. */
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

/* Hash mapped bytes, and release them behind. */
static void hash_mapped(const uint8_t *bytes, size_t size, uint8_t out[32])
{
    const size_t piece = (size_t)1 << 20;
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    for (size_t at = 0; at < size; at += piece) {
        const size_t n = size - at < piece ? size - at : piece;
        dx_cas_blake3_update(&h, bytes + at, n);
        os_release(bytes + at, n);
    }
    dx_cas_blake3_final(&h, out, 32);
}

/* Are all parts of the file present, without gaps or additional bytes? */
static bool parse(versions_stat_cache *s)
{
    const uint8_t *p = s->map;
    uint8_t hash[HASH_SIZE];
    size_t left = s->mapped - HEAD_SIZE - HASH_SIZE;
    if (memcmp(p, "DXSEEN3\n", 8) != 0) return false;
    const uint64_t count = load64(p + 8), lists = load64(p + 48), size = load64(p + 56);
    if (count > left / ROW_SIZE) return false;
    left -= (size_t)count * ROW_SIZE;
    if (lists > left / LIST_ROW_SIZE) return false;
    left -= (size_t)lists * LIST_ROW_SIZE;
    if (size != left) return false;
    hash_mapped(p, s->mapped - HASH_SIZE, hash);
    if (memcmp(hash, p + s->mapped - HASH_SIZE, HASH_SIZE) != 0) return false;
    s->before.bytes = (uint8_t *)(uintptr_t)s->map + HEAD_SIZE;
    s->before.count = (size_t)count;
    s->list_rows = s->before.bytes + s->before.count * ROW_SIZE;
    s->list_count = (size_t)lists;
    s->lists = s->list_rows + s->list_count * LIST_ROW_SIZE;
    s->lists_size = (size_t)size;
    return true;
}

static void index_steps(versions_stat_cache *s)
{
    const rows *r = &s->before;
    s->steps = prog_alloc((r->count / STEP + 1) * sizeof *s->steps);
    for (size_t i = 0; i < r->count; i += STEP) {
        memcpy(s->steps[i / STEP], r->bytes + i * ROW_SIZE, sizeof *s->steps);
        if (i % RELEASE_ROWS == 0) os_release(s->map, s->mapped);
    }
    os_release(s->map, s->mapped);
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
    if (s->map && parse(s)) index_steps(s);
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
    versions_stat_cache *s = versions_stat_cache_open_at(path);
    s->kept_bits = prog_alloc(s->before.count / 8 + 1);
    memset(s->kept_bits, 0, s->before.count / 8 + 1);
    return s;
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

/* The row of `before` for this key, or NULL. Several paths lead to a file that is mounted twice. */
static const uint8_t *find_before(const versions_stat_cache *s, const uint8_t *key)
{
    if (!s->steps) return NULL;
    size_t low = 0, high = (s->before.count + STEP - 1) / STEP;
    while (high - low > 1) { /* the last step that does not begin behind the key */
        const size_t middle = low + (high - low) / 2;
        if (compare_rows(s->steps[middle], key) <= 0) low = middle;
        else high = middle;
    }
    low *= STEP;
    high = low + STEP < s->before.count ? low + STEP : s->before.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const uint8_t *row = s->before.bytes + middle * ROW_SIZE;
        const int order = compare_keys(key, row);
        if (!order) return row;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

bool versions_stat_cache_find(versions_stat_cache *s, versions_stat_file *f)
{
    uint8_t key[ROW_SIZE];
    f->level = 0;
    store_row(key, f);
    if (s->settled.count && find_settled(s, key, f)) return true;
    const uint8_t *row = find_before(s, key);
    return row && parse_row(row, f);
}

/* Move the rows of `now`, sorted, to the file of runs. Without one they stay in memory. */
static void end_run(versions_stat_cache *s)
{
    const size_t size = (size_t)RUN_ROWS * ROW_SIZE;
    if (s->now.count != RUN_ROWS || s->run_count == RUNS_MAX) return;
    if (s->run_count == s->run_room) {
        const size_t room = s->run_room * 2 + 4;
        uint8_t *runs = os_scratch_resize(s->runs, room * size);
        if (!runs) return;
        s->runs = runs;
        s->run_room = room;
    }
    qsort(s->now.bytes, RUN_ROWS, ROW_SIZE, compare_keys);
    uint8_t *to = s->runs + s->run_count++ * size;
    memcpy(to, s->now.bytes, size);
    os_release(to, size);
    s->now.count = 0;
}

/* Is the row of the file, as it is, in `before`? Then it is kept. */
static bool keep_row(versions_stat_cache *s, const uint8_t *row)
{
    const uint8_t *old = find_before(s, row);
    if (!old || memcmp(old, row, ROW_SIZE) != 0) return false;
    const size_t i = (size_t)(old - s->before.bytes) / ROW_SIZE;
    s->kept_count += !(s->kept_bits[i / 8] >> i % 8 & 1);
    s->kept_bits[i / 8] |= (uint8_t)(1u << i % 8);
    return true;
}

void versions_stat_cache_add(versions_stat_cache *s, const versions_stat_file *f, int64_t now_ns,
                             bool fresh)
{
    uint8_t made[ROW_SIZE];
    s->news |= fresh;
    /* a file found in the cache was old enough then, and is unchanged */
    if (fresh && (f->mtime_ns > now_ns - RACY_NS || f->ctime_ns > now_ns - RACY_NS)) return;
    store_row(made, f);
    if (s->map && ++s->added % RELEASE_ROWS == 0) os_release(s->map, s->mapped);
    if (s->kept_bits && keep_row(s, made)) return;
    uint8_t *row = append(&s->now, ROW_SIZE, 1);
    if (row) memcpy(row, made, ROW_SIZE);
    if (s->kept_bits) end_run(s);
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
    assert(!s->kept_bits);
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

static size_t count_rows(const versions_stat_cache *s)
{
    return s->kept_count + s->run_count * RUN_ROWS + s->now.count;
}

bool versions_stat_cache_is_news(const versions_stat_cache *s)
{
    return s->news || count_rows(s) != s->before.count;
}

/* A file that is written, and hashed. */
typedef struct writer {
    int           fd;
    bool          good;
    size_t        size;
    dx_cas_blake3 hash;
    uint8_t       bytes[WRITE_SIZE];
} writer;

static void flush(writer *w)
{
    dx_cas_blake3_update(&w->hash, w->bytes, w->size);
    w->good = w->good && prog_write_all(w->fd, w->bytes, w->size);
    w->size = 0;
}

static void put(writer *w, const uint8_t *bytes, size_t size)
{
    while (size) {
        if (w->size == WRITE_SIZE) flush(w);
        const size_t n = size < WRITE_SIZE - w->size ? size : WRITE_SIZE - w->size;
        memcpy(w->bytes + w->size, bytes, n);
        w->size += n;
        bytes += n;
        size -= n;
    }
}

/* Sorted rows; of `before` only those that are kept. */
typedef struct source {
    const uint8_t *at, *end;
    const uint8_t *first, *bits; /* of `before`; else NULL */
} source;

static bool is_kept(const source *from)
{
    const size_t i = (size_t)(from->at - from->first) / ROW_SIZE;
    return (from->bits[i / 8] >> i % 8 & 1) != 0;
}

static bool advance(source *from, size_t rows)
{
    from->at += rows * ROW_SIZE;
    while (from->bits && from->at < from->end && !is_kept(from)) from->at += ROW_SIZE;
    return from->at < from->end;
}

/* Move the first source down a heap by key. */
static void sift(source *heap, size_t count)
{
    size_t at = 0, child;
    while ((child = 2 * at + 1) < count) {
        if (child + 1 < count && compare_keys(heap[child + 1].at, heap[child].at) < 0) child++;
        if (compare_keys(heap[at].at, heap[child].at) <= 0) return;
        const source moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static size_t add_source(source *heap, size_t count, source from)
{
    if (!advance(&from, 0)) return count;
    for (size_t i = count; i > 0; i--) { /* they are added once each: in order is a heap */
        heap[i] = heap[i - 1];
        if (compare_keys(heap[i].at, from.at) > 0) continue;
        heap[i] = from;
        return count + 1;
    }
    heap[0] = from;
    return count + 1;
}

static void merge_rows(versions_stat_cache *s, writer *w)
{
    const size_t run = (size_t)RUN_ROWS * ROW_SIZE;
    source *heap = prog_alloc((s->run_count + 2) * sizeof *heap);
    size_t count = 0, written = 0;
    const uint8_t *before = s->before.bytes;
    if (s->kept_count)
        count = add_source(heap, count, (source){before, before + s->before.count * ROW_SIZE, before,
                                                 s->kept_bits});
    for (size_t i = 0; i < s->run_count; i++)
        count = add_source(heap, count, (source){s->runs + i * run, s->runs + (i + 1) * run, NULL, NULL});
    if (s->now.count) {
        qsort(s->now.bytes, s->now.count, ROW_SIZE, compare_keys);
        count = add_source(heap, count, (source){s->now.bytes, s->now.bytes + s->now.count * ROW_SIZE,
                                                 NULL, NULL});
    }
    while (count) {
        put(w, heap[0].at, ROW_SIZE);
        if (!advance(&heap[0], 1)) heap[0] = heap[--count];
        sift(heap, count);
        if (++written % RELEASE_ROWS) continue;
        if (s->map) os_release(s->map, s->mapped);
        if (s->runs) os_release(s->runs, s->run_count * run);
    }
    free(heap);
}

void versions_stat_cache_save(versions_stat_cache *s, const uint8_t root[32])
{
    char next[sizeof s->path + 8];
    uint8_t head[HEAD_SIZE] = "DXSEEN3\n", hash[HASH_SIZE];
    const size_t count = count_rows(s);
    if (!count) {
        unlink(s->path);
        return;
    }
    if (!versions_stat_cache_is_news(s) && versions_stat_cache_is_of(s, root)) return;
    store64(head + 8, count);
    memcpy(head + 16, root, 32);
    store64(head + 48, s->kept_rows.count);
    store64(head + 56, s->kept.count);
    snprintf(next, sizeof next, "%s.new", s->path);
    writer *w = prog_alloc(sizeof *w);
    w->fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    w->good = w->fd >= 0;
    w->size = 0;
    dx_cas_blake3_init(&w->hash);
    if (w->good) {
        put(w, head, sizeof head);
        merge_rows(s, w);
        put(w, s->kept_rows.bytes, s->kept_rows.count * LIST_ROW_SIZE);
        put(w, s->kept.bytes, s->kept.count);
        flush(w);
        dx_cas_blake3_final(&w->hash, hash, sizeof hash);
        w->good = w->good && prog_write_all(w->fd, hash, sizeof hash);
    }
    if (w->fd >= 0 && (close(w->fd) < 0 || !w->good || rename(next, s->path) < 0)) unlink(next);
    free(w);
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
    free(s->steps);
    free(s->settled_starts);
    free(s->kept_bits);
    os_scratch_free(s->runs);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
#endif
