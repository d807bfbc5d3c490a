/* The image of a directory becomes a directory. See unpack.h. */
#include "unpack.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STEP_BYTES   = 4 << 20, /* between two looks at the connections */
    STEP_ENTRIES = 256
};
#define STEP_NS 50000000

static int refuse(wan_unpack *u, const char *why)
{
    u->why = why;
    return -1;
}

bool wan_unpack_begin(wan_unpack *u, int image, uint64_t image_size, const char *path)
{
    uint8_t head[WAN_LISTING_HEAD];
    memset(u, 0, sizeof *u);
    u->image = image;
    u->image_size = image_size;
    u->path = path;
    u->file = -1;
    u->levels = prog_alloc((PROG_DEPTH_MAX + 1) * sizeof *u->levels);
    const int64_t got = prog_read_at(image, 0, head, sizeof head);
    if (got < 0) return false;
    u->why = wan_listing_read(&u->listing, head, (size_t)got, image_size);
    return !u->why;
}

void wan_unpack_end(wan_unpack *u)
{
    if (u->file >= 0) os_close(u->file);
    while (u->depth > 0) os_close(u->levels[--u->depth].folder);
    free(u->levels);
    u->levels = NULL;
    u->file = -1;
}

/* >>directories ---------------------------------------------------------- */
/* All entries of the innermost directory are there: it gets its mode and time. */
static int leave(wan_unpack *u)
{
    const wan_level *l = &u->levels[--u->depth];
    const bool good = os_set_time(l->folder, l->mtime_ns) == 0 && os_set_open_mode(l->folder, l->mode) == 0;
    const int error = errno;
    os_close(l->folder);
    errno = error;
    return good ? 1 : -1;
}

static int enter(wan_unpack *u, int folder, const wan_entry *e)
{
    assert(u->depth <= PROG_DEPTH_MAX);
    if (folder < 0) return -1;
    u->levels[u->depth++] = (wan_level){.folder = folder, .mode = e->mode, .mtime_ns = e->mtime_ns};
    return 1;
}

static int make_root(wan_unpack *u, const wan_entry *e)
{
    if (os_make_folder(u->path, 0700) < 0) return -1;
    u->made = true;
    return enter(u, open(u->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), e);
}

static int make_folder(wan_unpack *u, int folder, const char *name, const wan_entry *e)
{
    if (os_make_folder_in(folder, name) < 0) return -1;
    return enter(u, os_open_in(folder, name, OS_FOLDER), e);
}

/* >>files ---------------------------------------------------------------- */
static int make_link(int folder, const char *name, const wan_entry *e)
{
    char target[WAN_TARGET_MAX + 1];
    memcpy(target, e->target, e->target_size);
    target[e->target_size] = 0;
    if (os_make_link_in(folder, name, target) < 0) return -1;
    if (os_set_time_in(folder, name, e->mtime_ns) == 0) return 1;
    return errno == ENOSYS || errno == EOPNOTSUPP ? 1 : -1; /* here links have no time of their own */
}

static int begin_file(wan_unpack *u, int folder, const char *name, const wan_entry *e)
{
    if (e->size && (e->at < WAN_LISTING_HEAD || e->at > u->image_size || e->size > u->image_size - e->at))
        return refuse(u, "a file of the directory lies outside the image");
    /* Places do not overlap, so the directory takes no more room than the image. */
    if (e->size > u->image_size - u->listing.size - u->files)
        return refuse(u, "the files of the directory are larger than the image");
    u->files += e->size;
    u->file = os_make_file_in(folder, name, 0600);
    if (u->file < 0 || ftruncate(u->file, (off_t)e->size) < 0) return -1;
    u->entry = *e;
    u->written = 0;
    return 1;
}

static int end_file(wan_unpack *u)
{
    const wan_entry *e = &u->entry;
    if (os_set_time(u->file, e->mtime_ns) < 0 || os_set_open_mode(u->file, e->mode) < 0) return -1;
    os_close_made(u->file);
    u->file = -1;
    return 1;
}

/* Copy a part of the open file. A block of zeros stays a hole. */
static int copy(wan_unpack *u, uint64_t *budget)
{
    uint8_t bytes[PROG_IO_SIZE];
    const uint64_t left = u->entry.size - u->written;
    size_t size = sizeof bytes;
    if (!left) return end_file(u);
    if (left < size) size = (size_t)left;
    const int64_t got = prog_read_at(u->image, u->entry.at + u->written, bytes, size);
    if (got >= 0 && got < (int64_t)size) errno = EIO;
    if (got < (int64_t)size) return -1;
    if (!prog_is_zero(bytes, size) && os_write_at(u->file, u->written, bytes, size) < 0) return -1;
    u->written += size;
    u->done += size;
    *budget = *budget > size ? *budget - size : 0;
    return 1;
}

/* >>entries -------------------------------------------------------------- */
static int make_entry(wan_unpack *u, const wan_entry *e)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    if (!e->depth) return u->made ? refuse(u, "the directory begins twice") : make_root(u, e);
    while (u->depth > e->depth)
        if (leave(u) < 0) return -1;
    if (u->depth < e->depth) return refuse(u, "an entry of the directory lies in none");
    wan_level *l = &u->levels[u->depth - 1];
    memcpy(name, e->name, e->name_size);
    name[e->name_size] = 0;
    if (strcmp(name, l->last) <= 0) return refuse(u, "the names in the directory do not ascend");
    memcpy(l->last, name, e->name_size + 1);
    if (e->kind == OS_FOLDER) return make_folder(u, l->folder, name, e);
    if (e->kind == OS_LINK) return make_link(l->folder, name, e);
    return begin_file(u, l->folder, name, e);
}

static int next_entry(wan_unpack *u)
{
    uint8_t bytes[WAN_ENTRY_SIZE_MAX];
    wan_entry e;
    uint64_t size = u->listing.size - u->table_done;
    size_t used = 0;
    if (size > sizeof bytes) size = sizeof bytes;
    const int64_t got = prog_read_at(u->image, u->listing.at + u->table_done, bytes, (size_t)size);
    if (got < 0) return -1;
    const char *why = wan_entry_read(&e, bytes, (size_t)got, &used);
    if (why) return refuse(u, why);
    u->table_done += used;
    u->done += used;
    u->count++;
    return make_entry(u, &e);
}

int wan_unpack_step(wan_unpack *u)
{
    const int64_t end_ns = prog_now_ns() + STEP_NS;
    uint64_t budget = STEP_BYTES;
    int result = 1;
    for (int i = 0; result > 0 && budget && i < STEP_ENTRIES && prog_now_ns() < end_ns;) {
        if (u->file >= 0) {
            result = copy(u, &budget);
        } else if (u->count < u->listing.count) {
            result = next_entry(u);
            i++;
        } else if (u->table_done < u->listing.size) {
            result = refuse(u, "the table of the directory has more than its entries");
        } else if (u->depth > 0) {
            result = leave(u);
        } else {
            return 0;
        }
    }
    return result;
}
