/* The directory that a mirror will replace. See former.h. */
#include "former.h"

#include "../../common/os.h"
#include "../net/region.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_SIZE = 1 << 17, /* bytes of a table that are in memory at once */
    NAMED_SIZE  = WAN_ENTRY_HEAD + PROG_NAME_SIZE_MAX, /* bytes of a file's or directory's entry, at most */
    OPENS_MAX   = 1 << 14  /* for one read: a region may hold 262,144 files, each 256 directories deep */
};
static_assert(WAN_FORMER_ENTRY_COST == 24 && sizeof(wan_former_folder) <= WAN_FORMER_ENTRY_COST, "README states it");

static void close_files(wan_former *f)
{
    if (f->file >= 0) os_close(f->file);
    if (f->folder >= 0) os_close(f->folder);
    f->file = f->folder = -1;
}

static void forget(wan_former *f)
{
    close_files(f);
    free(f->files);
    free(f->folders);
    f->files = NULL;
    f->folders = NULL;
    f->file_count = f->folder_count = 0;
}

void wan_former_open(wan_former *f, int root)
{
    memset(f, 0, sizeof *f);
    f->root = root;
    f->image = f->file = f->folder = -1;
}

void wan_former_close(wan_former *f)
{
    forget(f);
    if (f->root >= 0) os_close(f->root);
    f->root = -1;
}

/* >>table ---------------------------------------------------------------- */
typedef struct walk { /* through a table */
    wan_former *former;
    uint8_t    *window;
    size_t      begin, end; /* of the bytes in it that are not used yet */
    uint64_t    done;       /* bytes of the table before those */
    uint32_t    parents[PROG_DEPTH_MAX + 1]; /* the last directory of each depth */
    unsigned    depth;      /* that an entry has at most */
} walk;

/* Have the next entry in the window whole, unless the table ends. False: the image ends before, or cannot be read. */
static bool fill(walk *w)
{
    const wan_listing *t = &w->former->table;
    const size_t kept = w->end - w->begin;
    const uint64_t left = t->size - w->done - kept;
    if (kept >= WAN_ENTRY_SIZE_MAX || !left) return true;
    memmove(w->window, w->window + w->begin, kept);
    const size_t room = WINDOW_SIZE - kept;
    const size_t size = left < room ? (size_t)left : room;
    w->begin = 0;
    w->end = kept + size;
    return prog_read_at(w->former->image, t->at + w->done + kept, w->window + kept, size) == (int64_t)size;
}

/* Is this a place in the image that neither header nor table has? */
static bool is_place(const wan_listing *t, uint64_t at, uint64_t size)
{
    if (at < WAN_LISTING_HEAD || at > WAN_IMAGE_MAX || size > WAN_IMAGE_MAX - at) return false;
    return at + size <= t->at || at >= t->at + t->size;
}

/* Take the next entry. False: the table is not valid. */
static bool take_entry(walk *w, bool first)
{
    wan_former *f = w->former;
    wan_entry e;
    size_t size = 0;
    if (!fill(w) || wan_entry_read(&e, w->window + w->begin, w->end - w->begin, &size)) return false;
    if (first ? e.depth : !e.depth || e.depth > w->depth) return false;
    const uint32_t parent = e.depth ? w->parents[e.depth - 1] : 0;
    if (e.kind == OS_FOLDER) {
        w->parents[e.depth] = f->folder_count;
        f->folders[f->folder_count++] = (wan_former_folder){.entry = (uint32_t)w->done, .above = parent};
    } else if (e.size) {
        if (!is_place(&f->table, e.at, e.size)) return false;
        f->files[f->file_count++] = (wan_former_file){e.at, e.size, (uint32_t)w->done, parent};
    }
    w->depth = e.kind == OS_FOLDER ? e.depth + 1 : e.depth;
    w->begin += size;
    w->done += size;
    return true;
}

/* Move an item of a heap down until none below it has a larger place. */
static void sift(wan_former_file *files, uint32_t count, uint32_t item)
{
    const wan_former_file moved = files[item];
    for (uint64_t child = 2 * (uint64_t)item + 1; child < count; child = 2 * (uint64_t)item + 1) {
        if (child + 1 < count && files[child + 1].at > files[child].at) child++;
        if (files[child].at <= moved.at) break;
        files[item] = files[child];
        item = (uint32_t)child;
    }
    files[item] = moved;
}

/* Sort by place. qsort() may take as much memory again. */
static void sort(wan_former_file *files, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) sift(files, count, i - 1);
    for (uint32_t i = count; i > 1; i--) {
        const wan_former_file last = files[0];
        files[0] = files[i - 1];
        files[i - 1] = last;
        sift(files, i - 1, 0);
    }
}

/* Places that overlap could make each region one of all files. */
static bool overlap(const wan_former *f)
{
    for (uint32_t i = 1; i < f->file_count; i++) {
        const wan_former_file *p = &f->files[i - 1];
        if (f->files[i].at - p->at < p->size) return true;
    }
    return false;
}

/* A table that is not there yet is zeros, and ends with its first entry. */
static bool take_table(wan_former *f)
{
    walk w = {.former = f, .window = prog_alloc(WINDOW_SIZE)};
    bool good = true;
    for (uint64_t i = 0; good && i < f->table.count; i++) good = take_entry(&w, !i);
    free(w.window);
    return good && w.done == f->table.size;
}

bool wan_former_adopt(wan_former *f, int image, const wan_listing *table)
{
    assert(table->count && table->count <= WAN_ENTRIES_MAX);
    forget(f);
    f->image = image;
    f->table = *table;
    f->files = prog_alloc((size_t)table->count * sizeof *f->files); /* the system gives what is used of it */
    f->folders = prog_alloc((size_t)table->count * sizeof *f->folders);
    if (take_table(f)) {
        sort(f->files, f->file_count);
        if (!overlap(f)) return true;
    }
    forget(f);
    return false;
}

/* >>reading -------------------------------------------------------------- */
/* Read the name of an entry, as it is in the image now. False: it is another one, or not valid. */
static bool read_name(const wan_former *f, uint32_t at, int kind, char out[PROG_NAME_SIZE_MAX + 1])
{
    uint8_t bytes[NAMED_SIZE];
    wan_entry e;
    size_t used = 0;
    assert(at < f->table.size);
    const uint64_t left = f->table.size - at;
    const int64_t got = prog_read_at(f->image, f->table.at + at, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes);
    if (got < 0 || wan_entry_read(&e, bytes, (size_t)got, &used) || e.kind != kind || !e.depth) return false;
    memcpy(out, e.name, e.name_size);
    out[e.name_size] = 0;
    return true;
}

/* Open something in a directory if it is of this kind: a device or a pipe would notice that it is opened. -1: no. */
static int open_kind(wan_former *f, int folder, uint32_t entry, int kind)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    os_info info;
    if (!f->opens || !read_name(f, entry, kind, name)) return -1;
    f->opens--;
    if (os_stat_in(folder, name, &info) < 0 || info.kind != kind) return -1;
    const int file = os_open_in(folder, name, kind);
    if (file < 0) return -1;
    if (os_info_of(file, &info) == 0 && info.kind == kind) return file;
    os_close(file);
    return -1;
}

/* Open a directory with files. -1: it is none there. */
static int open_holder(wan_former *f, uint32_t holder)
{
    uint32_t chain[PROG_DEPTH_MAX + 1];
    unsigned count = 0;
    if (f->folder >= 0 && f->holder == holder) return f->folder;
    if (f->folder >= 0) os_close(f->folder);
    for (uint32_t i = holder; i; i = f->folders[i].above) {
        assert(count <= PROG_DEPTH_MAX && f->folders[i].above < i);
        chain[count++] = i;
    }
    f->folder = os_open_in(f->root, ".", OS_FOLDER);
    while (count > 0 && f->folder >= 0) {
        const int child = open_kind(f, f->folder, f->folders[chain[--count]].entry, OS_FOLDER);
        os_close(f->folder);
        f->folder = child;
    }
    f->holder = holder;
    return f->folder;
}

/* Open a file. -1: it is none there. */
static int open_file(wan_former *f, uint32_t item)
{
    const wan_former_file *p = &f->files[item];
    if (f->file >= 0 && f->item == item) return f->file;
    if (f->file >= 0) os_close(f->file);
    f->file = -1;
    const int folder = open_holder(f, p->folder);
    if (folder >= 0) f->file = open_kind(f, folder, p->entry, OS_FILE);
    f->item = item;
    return f->file;
}

/* The first file that ends after `at`. */
static uint32_t find_file(const wan_former *f, uint64_t at)
{
    uint32_t low = 0, high = f->file_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (f->files[middle].at + f->files[middle].size > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Read from a file the bytes between two places that it has of some others. */
static void read_part(int file, uint64_t place, uint64_t place_size, uint64_t file_at, uint64_t at, uint8_t *out, size_t size)
{
    const uint64_t from = at > place ? at : place;
    const uint64_t end = at + size < place + place_size ? at + size : place + place_size;
    if (file >= 0 && end > from) (void)prog_read_at(file, file_at + (from - place), out + (from - at), (size_t)(end - from));
}

void wan_former_read(wan_former *f, uint64_t at, uint8_t *out, size_t size)
{
    assert(f->folder_count && at <= WAN_IMAGE_MAX && size <= WAN_REGION_SIZE);
    memset(out, 0, size);
    f->opens = OPENS_MAX;
    read_part(f->image, 0, WAN_LISTING_HEAD, 0, at, out, size);
    read_part(f->image, f->table.at, f->table.size, f->table.at, at, out, size);
    for (uint32_t i = find_file(f, at); i < f->file_count && f->files[i].at < at + size; i++)
        read_part(open_file(f, i), f->files[i].at, f->files[i].size, 0, at, out, size);
}
