/* A directory as one image. See folder.h. */
#include "folder.h"

#include "../../common/os.h"
#include "../net/region.h"
#include "source.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLACE_UNIT = 64,
    GAPS_TRIED = 64, /* for each new file */
    NAMES_MAX  = 1 << 28 /* bytes of the names in one directory */
};
#define WASTE_MIN ((uint64_t)16 << 20)
#define SERVE_NS ((uint64_t)20000000) /* connections wait no longer than this and a call of the system */
/* Items whose hashes collide share hints for a place only. */
static uint64_t identity_of(const os_info *info)
{
    const uint64_t numbers[2] = {info->volume, info->number};
    return prog_fnv(PROG_FNV_START, numbers, sizeof numbers);
}

/* >>list ----------------------------------------------------------------- */
typedef struct scan {
    const wan_folder *folder;
    wan_list         *list;
    dx_cas_blake3     digest;
    uint64_t          served_ns;
    bool              muted;  /* errors of the list are no errors of the mirror */
} scan;

typedef struct names { /* of one directory */
    scan  *scan;
    char  *bytes;
    size_t size, room, count;
} names;

static void free_list(wan_list *l)
{
    free(l->items);
    free(l->table);
    memset(l, 0, sizeof *l);
}

static void copy_name(const wan_list *l, uint32_t item, char out[PROG_NAME_SIZE_MAX + 1])
{
    const uint8_t *entry = l->table + l->items[item].entry;
    const size_t size = (size_t)wan_load(entry + 6, 2);
    memcpy(out, entry + WAN_ENTRY_HEAD, size);
    out[size] = 0;
}

/* The path of an item, for messages. */
static void name_path(const wan_folder *f, const wan_list *l, uint32_t item,
                      char out[PROG_PATH_SIZE_MAX + 1])
{
    char whole[PROG_PATH_SIZE_MAX + 1];
    char name[PROG_NAME_SIZE_MAX + 1];
    size_t at = sizeof whole - 1;
    whole[at] = 0;
    while (item) {
        copy_name(l, item, name);
        const size_t size = strlen(name);
        if (size + 1 > at) break; /* its end is enough for a message */
        at -= size;
        memcpy(whole + at, name, size);
        whole[--at] = '/';
        item = l->items[item].parent;
    }
    (void)snprintf(out, PROG_PATH_SIZE_MAX + 1, "%s%s", f->path, whole + at);
}

static int fail_item(const wan_folder *f, const wan_list *l, uint32_t item)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    const int error = errno;
    name_path(f, l, item, path);
    errno = error;
    return prog_fail_errno("%s", path);
}

static void *grow(void *old, size_t size)
{
    void *more = realloc(old, size);
    if (!more) abort();
    return more;
}

/* A directory may be huge, or its disk slow. False: give up. */
static bool serve(scan *s)
{
    const wan_folder *f = s->folder;
    if (!f->serve || (uint64_t)prog_now_ns() - s->served_ns < SERVE_NS) return true;
    if (s->muted) prog_mute(false);
    const bool goes_on = f->serve(f->user);
    if (s->muted) prog_mute(true);
    s->served_ns = (uint64_t)prog_now_ns();
    return goes_on;
}

/* os_list(): collect a name. */
static int add_name(void *user, const char *name)
{
    names *n = user;
    const size_t size = strlen(name) + 1;
    if (!serve(n->scan)) {
        errno = ECANCELED;
        return -1;
    }
    if (n->size + size > NAMES_MAX || n->count == WAN_ENTRIES_MAX) {
        errno = E2BIG;
        return -1;
    }
    if (n->size + size > n->room) {
        n->room = n->room * 2 + size + 1024;
        n->bytes = grow(n->bytes, n->room);
    }
    memcpy(n->bytes + n->size, name, size);
    n->size += size;
    n->count++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **sort_names(const names *n)
{
    const char **sorted = prog_alloc((n->count + 1) * sizeof *sorted);
    const char *p = n->bytes;
    for (size_t i = 0; i < n->count; i++) {
        sorted[i] = p;
        p += strlen(p) + 1;
    }
    qsort(sorted, n->count, sizeof *sorted, by_name);
    return sorted;
}

static int fail_full(const scan *s)
{
    return prog_fail(PROG_REFUSED, "%s has more than %d entries, or their names are too long",
                     s->folder->path, WAN_ENTRIES_MAX);
}

/* Add an entry. A status with a message. */
static int add_item(scan *s, uint32_t parent, const os_info *info, wan_entry *e)
{
    wan_list *l = s->list;
    const uint64_t identity = identity_of(info);
    if (l->count == WAN_ENTRIES_MAX || l->table_size + WAN_ENTRY_SIZE_MAX > WAN_TABLE_SIZE_MAX)
        return fail_full(s);
    if (l->count == l->room) {
        l->room = l->room * 2 + 64;
        l->items = grow(l->items, l->room * sizeof *l->items);
    }
    if (l->table_size + WAN_ENTRY_SIZE_MAX > l->table_room) {
        l->table_room = l->table_room * 2 + 2 * WAN_ENTRY_SIZE_MAX;
        l->table = grow(l->table, l->table_room);
    }
    e->kind = info->kind;
    e->mode = info->mode;
    e->mtime_ns = info->mtime_ns;
    e->size = info->kind == OS_FILE ? info->size : 0;
    const uint64_t above = l->count ? l->items[parent].path : PROG_FNV_START;
    l->items[l->count++] = (wan_item){.path = prog_fnv(prog_fnv(above, "/", 1), e->name, e->name_size),
                                      .identity = identity,
                                      .size = e->size,
                                      .parent = parent,
                                      .entry = (uint32_t)l->table_size};
    const size_t size = wan_entry_write(e, l->table + l->table_size);
    dx_cas_blake3_update(&s->digest, l->table + l->table_size, size);
    dx_cas_blake3_update(&s->digest, &identity, sizeof identity);
    dx_cas_blake3_update(&s->digest, &info->ctime_ns, sizeof info->ctime_ns);
    l->table_size += size;
    if (info->ctime_ns > l->newest_ns) l->newest_ns = info->ctime_ns;
    return PROG_OK;
}

static int list_children(scan *s, int folder, uint32_t item, unsigned depth);

/* An entry that was removed after its name was listed has changed the times of its directory. */
static bool has_gone(void)
{
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EINVAL;
}

static int fail_child(const scan *s, uint32_t parent, const char *name)
{
    char path[PROG_PATH_SIZE_MAX + 1];
    const int error = errno;
    name_path(s->folder, s->list, parent, path);
    errno = error;
    return prog_fail_errno("%s/%s", path, name);
}

static int list_child(scan *s, int folder, uint32_t parent, const char *name, unsigned depth)
{
    char target[WAN_TARGET_MAX + 1];
    wan_entry e = {.depth = depth, .name = name, .name_size = strlen(name)};
    os_info info;
    if (os_stat_in(folder, name, &info) < 0) return has_gone() ? PROG_OK : fail_child(s, parent, name);
    if (info.kind == OS_OTHER) {
        s->list->left_out++;
        return PROG_OK;
    }
    if (info.kind == OS_LINK) {
        const int64_t size = os_read_link_in(folder, name, target, sizeof target);
        if (size < 0 && has_gone()) return PROG_OK;
        if (size < 0) return fail_child(s, parent, name);
        if (size == 0 || size > WAN_TARGET_MAX) {
            errno = ENAMETOOLONG;
            return fail_child(s, parent, name);
        }
        e.target = target;
        e.target_size = (size_t)size;
    }
    const int status = add_item(s, parent, &info, &e);
    if (status || info.kind != OS_FOLDER) return status;
    const uint32_t item = s->list->count - 1;
    const int child = os_open_in(folder, name, OS_FOLDER);
    if (child < 0) return has_gone() ? PROG_OK : fail_item(s->folder, s->list, item);
    const int listed = list_children(s, child, item, depth + 1);
    os_close(child);
    return listed;
}

static int list_children(scan *s, int folder, uint32_t item, unsigned depth)
{
    names n = {.scan = s};
    int status = PROG_OK;
    if (os_list(folder, add_name, &n) < 0) {
        if (errno == ECANCELED) status = PROG_NETWORK;
        else status = errno == E2BIG ? fail_full(s) : fail_item(s->folder, s->list, item);
    }
    if (!status && n.count && depth > PROG_DEPTH_MAX)
        status = prog_fail(PROG_REFUSED, "%s is nested more deeply than %d directories", s->folder->path,
                           PROG_DEPTH_MAX);
    if (!status) {
        const char **sorted = sort_names(&n);
        for (size_t i = 0; i < n.count && !status; i++)
            status = serve(s) ? list_child(s, folder, item, sorted[i], depth) : PROG_NETWORK;
        free(sorted);
    }
    free(n.bytes);
    return status;
}

/* List all entries. A status with a message, unless muted or given up. */
static int list_all(const wan_folder *f, wan_list *l, bool muted)
{
    scan s = {.folder = f, .list = l, .served_ns = (uint64_t)prog_now_ns(), .muted = muted};
    wan_entry e = {.name = ""};
    os_info info;
    memset(l, 0, sizeof *l);
    const int root = os_open_in(f->root, ".", OS_FOLDER); /* read from its beginning */
    if (root < 0 || os_info_of(root, &info) < 0) {
        const int status = prog_fail_errno("%s", f->path);
        if (root >= 0) os_close(root);
        return status;
    }
    dx_cas_blake3_init(&s.digest);
    int status = info.names ? PROG_OK : prog_fail(PROG_NOT_FOUND, "%s: the directory was removed", f->path);
    if (!status) status = add_item(&s, 0, &info, &e);
    if (!status) status = list_children(&s, root, 0, 1);
    os_close(root);
    dx_cas_blake3_final(&s.digest, l->digest, sizeof l->digest);
    return status;
}

/* >>places --------------------------------------------------------------- */
static int by_key(const void *a, const void *b)
{
    const wan_spot *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

static uint64_t round_up(uint64_t size)
{
    return (size + PLACE_UNIT - 1) / PLACE_UNIT * PLACE_UNIT;
}

/* Give each item that has no place the one of an old item with the same key. A file that has outgrown its
   room gets twice its size, so that one that grows all the time moves seldom. */
static void inherit(wan_list *l, const wan_list *old, bool by_path, uint8_t *taken)
{
    uint32_t count = 0;
    wan_spot *spots = prog_alloc((old->count + 1) * sizeof *spots);
    /* At the first spot of a key: how many of its spots are taken. All names of one file have one key. */
    uint32_t *used = prog_alloc((old->count + 1) * sizeof *used);
    memset(used, 0, (old->count + 1) * sizeof *used);
    for (uint32_t i = 0; i < old->count; i++) {
        const wan_item *o = &old->items[i];
        if (o->room && !taken[i]) spots[count++] = (wan_spot){by_path ? o->path : o->identity, i};
    }
    qsort(spots, count, sizeof *spots, by_key);
    for (uint32_t i = 0; i < l->count; i++) {
        wan_item *p = &l->items[i];
        const uint64_t key = by_path ? p->path : p->identity;
        uint32_t low = 0, high = count;
        if (p->room || !p->size) continue;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (spots[middle].key < key) low = middle + 1;
            else high = middle;
        }
        const uint32_t first = low;
        if (first < count) low += used[first];
        if (low == count || spots[low].key != key) continue;
        used[first]++;
        const wan_item *o = &old->items[spots[low].item];
        taken[spots[low].item] = 1;
        p->room = p->size <= o->room ? o->room : round_up(p->size * 2);
        p->at = p->size <= o->room ? o->at : 0;
    }
    free(used);
    free(spots);
}

/* List the items that have a place, ascending. */
static void sort_places(wan_folder *f)
{
    f->place_count = 0;
    for (uint32_t i = 0; i < f->list.count; i++)
        if (f->list.items[i].at) f->places[f->place_count++] = (wan_spot){f->list.items[i].at, i};
    qsort(f->places, f->place_count, sizeof *f->places, by_key);
}

typedef struct wan_gap {
    uint64_t at;
    uint64_t size;
} wan_gap;

/* List the gaps between the places. *end: where the last one ends; *waste: bytes that no file has. */
static uint32_t list_gaps(const wan_folder *f, wan_gap *gaps, uint64_t *end, uint64_t *waste)
{
    uint32_t found = 0;
    *end = WAN_LISTING_HEAD;
    *waste = 0;
    for (uint32_t i = 0; i < f->place_count; i++) {
        const wan_item *p = &f->list.items[f->places[i].item];
        if (p->at > *end) gaps[found++] = (wan_gap){*end, p->at - *end};
        *waste += p->at - *end + p->room - p->size;
        *end = p->at + p->room;
    }
    return found;
}

/* The room of an item that has no place yet. The table at the beginning ends with a region, so that no region has
   a part of it and one of a file: a receiver has to get the table before it knows which files it has. */
static uint64_t first_room(const wan_item *p, bool table)
{
    if (!table) return round_up(p->size);
    const uint64_t end = WAN_LISTING_HEAD + p->size * 2;
    return (end + WAN_REGION_SIZE - 1) / WAN_REGION_SIZE * WAN_REGION_SIZE - WAN_LISTING_HEAD;
}

/* Give a place to each item that has none: in a gap, or at the end. Where most of the image would be unused,
   all items get a new one. */
static void give_places(wan_folder *f)
{
    wan_list *l = &f->list;
    wan_gap *gaps = prog_alloc((l->count + 1) * sizeof *gaps);
    uint64_t end, waste;
    uint32_t first = 0;
    sort_places(f);
    uint32_t count = list_gaps(f, gaps, &end, &waste);
    if (waste > WASTE_MIN && waste > end / 2) {
        for (uint32_t i = 0; i < l->count; i++) l->items[i].at = l->items[i].room = 0;
        end = WAN_LISTING_HEAD;
        count = 0;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        wan_item *p = &l->items[i];
        if (p->at || !p->size) continue;
        if (!p->room) p->room = first_room(p, !i);
        for (uint32_t g = first; g < count && g < first + GAPS_TRIED && !p->at; g++) {
            if (gaps[g].size < p->room) continue;
            p->at = gaps[g].at;
            gaps[g].at += p->room;
            gaps[g].size -= p->room;
        }
        while (first < count && !gaps[first].size) first++;
        if (p->at) continue;
        p->at = end;
        end += p->room;
    }
    free(gaps);
    sort_places(f);
    f->size = end;
}

/* >>rounds --------------------------------------------------------------- */
static void close_files(wan_folder *f)
{
    if (f->file >= 0) os_close(f->file);
    if (f->folder >= 0) os_close(f->folder);
    f->file = f->folder = -1;
}

int wan_folder_open(wan_folder *f, const char *path)
{
    memset(f, 0, sizeof *f);
    f->path = path;
    f->file = f->folder = -1;
    f->root = os_open_folder(path);
    return f->root < 0 ? prog_fail_errno("%s", path) : PROG_OK;
}

void wan_folder_close(wan_folder *f)
{
    close_files(f);
    if (f->root >= 0) os_close(f->root);
    free_list(&f->list);
    free(f->places);
    f->places = NULL;
    f->root = -1;
}

/* May the files have a place, with the room that a growing one gets? */
static bool fits(const wan_list *l)
{
    uint64_t sum = l->table_size;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->items[i].size > WAN_IMAGE_MAX / 4 - sum) return false;
        sum += l->items[i].size;
    }
    return true;
}

int wan_folder_begin(wan_folder *f)
{
    wan_list old = f->list;
    const int64_t wall_ns = os_time_ns();
    const uint64_t now_ns = (uint64_t)prog_now_ns();
    close_files(f);
    f->torn = false;
    int status = list_all(f, &f->list, false);
    if (!status && !fits(&f->list))
        status = prog_fail(PROG_REFUSED, "%s is larger than 2 TiB", f->path);
    if (status) {
        free_list(&old);
        return status;
    }
    wan_list *l = &f->list;
    if (!old.count || memcmp(old.digest, l->digest, sizeof l->digest) != 0) f->seen_ns = (uint64_t)prog_now_ns();
    f->settled = wan_is_settled(l->newest_ns, wall_ns, f->seen_ns, now_ns);
    uint8_t *taken = prog_alloc(old.count + 1);
    memset(taken, 0, old.count + 1);
    l->items[0].size = l->table_size;
    inherit(l, &old, false, taken);
    inherit(l, &old, true, taken);
    free(taken);
    free_list(&old);
    free(f->places);
    f->places = prog_alloc(l->count * sizeof *f->places);
    give_places(f);
    for (uint32_t i = 1; i < l->count; i++) wan_entry_set_place(l->table + l->items[i].entry, l->items[i].at);
    if (l->left_out && !f->told)
        prog_warn("%s: %" PRIu64 " entries are left out: they are neither files, directories nor symbolic "
                  "links", f->path, l->left_out);
    f->told = f->told || l->left_out;
    return PROG_OK;
}

bool wan_folder_is_same(wan_folder *f)
{
    wan_list now;
    prog_mute(true);
    const int status = list_all(f, &now, true);
    prog_mute(false);
    const bool same = !status && !memcmp(now.digest, f->list.digest, sizeof now.digest);
    free_list(&now);
    return same;
}

/* >>reading -------------------------------------------------------------- */
/* Open the directory with this item's files. -1: errno. */
static int open_holder(wan_folder *f, uint32_t item)
{
    uint32_t chain[PROG_DEPTH_MAX + 1];
    char name[PROG_NAME_SIZE_MAX + 1];
    unsigned count = 0;
    if (f->folder >= 0 && f->holder == item) return f->folder;
    if (f->folder >= 0) os_close(f->folder);
    for (uint32_t i = item; i; i = f->list.items[i].parent) chain[count++] = i;
    f->folder = os_open_in(f->root, ".", OS_FOLDER);
    while (count > 0 && f->folder >= 0) {
        copy_name(&f->list, chain[--count], name);
        const int child = os_open_in(f->folder, name, OS_FOLDER);
        const int error = errno;
        os_close(f->folder);
        f->folder = child;
        errno = error;
    }
    f->holder = item;
    return f->folder;
}

/* Open the file of an item. -1: errno; ENOENT: it is not that file any more. */
static int open_item(wan_folder *f, uint32_t item)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    os_info info;
    if (f->file >= 0 && f->item == item) return f->file;
    if (f->file >= 0) os_close(f->file);
    f->file = -1;
    copy_name(&f->list, item, name);
    const int folder = open_holder(f, f->list.items[item].parent);
    if (folder < 0) return -1;
    f->file = os_open_in(folder, name, OS_FILE);
    if (f->file < 0) return -1;
    f->item = item;
    if (os_info_of(f->file, &info) == 0 && info.kind == OS_FILE &&
        identity_of(&info) == f->list.items[item].identity)
        return f->file;
    os_close(f->file);
    f->file = -1;
    errno = ENOENT;
    return -1;
}

/* Read bytes of a file, which are zero already. False: errno. */
static bool read_item(wan_folder *f, uint32_t item, uint64_t at, uint8_t *out, size_t size)
{
    const int file = open_item(f, item);
    if (file < 0 && (has_gone() || errno == ENXIO)) {
        f->torn = true;
        return true;
    }
    const int64_t got = file < 0 ? -1 : prog_read_at(file, at, out, size);
    if (got >= 0) {
        if ((size_t)got < size) f->torn = true; /* it was truncated */
        return true;
    }
    f->bad = item;
    return false;
}

/* The part of the bytes from `at` that lies in a block of the image: where it begins, and its size. */
static size_t part(uint64_t at, size_t size, uint64_t block_at, uint64_t block_size, uint64_t *from)
{
    const uint64_t end = at + size < block_at + block_size ? at + size : block_at + block_size;
    *from = at > block_at ? at : block_at;
    return end > *from ? (size_t)(end - *from) : 0;
}

/* The first place that ends after `at`. */
static uint32_t find_place(const wan_folder *f, uint64_t at)
{
    uint32_t low = 0, high = f->place_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const wan_item *p = &f->list.items[f->places[middle].item];
        if (p->at + p->room > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

int64_t wan_folder_read(wan_folder *f, uint64_t at, uint8_t *out, size_t size)
{
    uint8_t head[WAN_LISTING_HEAD];
    uint64_t from;
    const wan_list *l = &f->list;
    if (at >= f->size) return 0;
    if (size > f->size - at) size = (size_t)(f->size - at);
    memset(out, 0, size);
    size_t n = part(at, size, 0, sizeof head, &from);
    if (n) {
        wan_listing_write(&(wan_listing){l->items[0].at, l->table_size, l->count}, head);
        memcpy(out + (from - at), head + from, n);
    }
    for (uint32_t i = find_place(f, at); i < f->place_count && f->places[i].key < at + size; i++) {
        const uint32_t item = f->places[i].item;
        const wan_item *p = &l->items[item];
        n = part(at, size, p->at, p->size, &from);
        if (!n) continue;
        if (!item) memcpy(out + (from - at), l->table + (from - p->at), n);
        else if (!read_item(f, item, from - p->at, out + (from - at), n)) return -1;
    }
    return (int64_t)size;
}

int wan_folder_fail(const wan_folder *f) { return fail_item(f, &f->list, f->bad); }

void wan_folder_find_table(const wan_folder *f, uint64_t *at, uint64_t *size)
{
    assert(f->list.count);
    *at = f->list.items[0].at;
    *size = f->list.items[0].size;
}
