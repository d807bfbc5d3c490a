/* Walks directories depth first, in the order of names; they are scanned ahead of it (scan.c).
   Files are read by publish_read.c; links, devices and further hard links of a file become
   entries directly. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int send_link(publisher *p, int dir, const versions_found *f)
{
    char target[PROG_PATH_SIZE_MAX + 1];
    ssize_t n = readlinkat(dir, f->name, target, sizeof target);
    if (n < 0 && versions_publish_leaves_out(p, errno)) return PROG_OK;
    if (n < 0) return versions_publish_cannot_read(p);
    if (n == 0 || n > DX_TREE_TARGET_MAX)
        return prog_fail(PROG_REFUSED, "%s: the link's target is too long", p->path);
    return versions_publish_entry(p, DX_TREE_LINK, f, target, (size_t)n, 0);
}

static int type_of(mode_t mode)
{
    if (S_ISDIR(mode)) return DX_TREE_DIR;
    if (S_ISLNK(mode)) return DX_TREE_LINK;
    if (S_ISFIFO(mode)) return DX_TREE_FIFO;
    if (S_ISCHR(mode)) return DX_TREE_CHAR;
    return S_ISBLK(mode) ? DX_TREE_BLOCK : DX_TREE_FILE;
}

/* Send another name of a file that was sent under its first name. */
static int send_name(publisher *p, const versions_found *f)
{
    const versions_first *first = &p->links->list[p->link - 1];
    int status = versions_metadata_read_link(&p->extras, p->path, first->path);
    if (!status) status = versions_publish_need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (!status) versions_publish_event(p, A_NAME, type_of(f->mode), f->name, NULL, 0, f);
    return status;
}

static void skip_socket(publisher *p)
{
    versions_losses *lost = &p->out->lost;
    if (!lost->sockets++) snprintf(lost->socket, sizeof lost->socket, "%s", p->path);
}

/* Send an entry that is not a directory, under its first name. */
static int send_first(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    bool special = !S_ISREG(f->mode) && !S_ISLNK(f->mode);
    if (S_ISREG(f->mode)) return versions_publish_file(p, dir, f, folder);
    int status = versions_metadata_read(&p->extras, dir, f, folder);
    if (status) return status;
    return special ? versions_publish_entry(p, type_of(f->mode), f, "", 0, 0)
                   : send_link(p, dir, f);
}

int versions_publish_content(publisher *p, int dir, versions_found *f,
                             const versions_found *folder)
{
    const int type = type_of(f->mode);
    const bool linked = f->names > 1;
    bool known = false;
    if (S_ISSOCK(f->mode)) {
        skip_socket(p);
        return PROG_OK;
    }
    if (type != DX_TREE_FILE && type != DX_TREE_LINK && p->omit.specials) return PROG_OK;
    p->out->linked |= linked;
    p->link = 0;
    if (!linked || p->omit.hard_links) return send_first(p, dir, f, folder);
    const size_t index = versions_links_find(p->links, f, type, p->path, &known);
    if (known && p->links->list[index].type == type) {
        p->link = (uint32_t)index + 1;
        return send_name(p, f);
    }
    if (known) return send_first(p, dir, f, folder); /* its inode was another file's before */
    p->link = (uint32_t)index + 1;
    p->link_sent = false;
    const int status = send_first(p, dir, f, folder);
    if (!p->link_sent) p->links->list[index].lost = true;
    return status;
}

/* The beginning of the path of an entry, of whole characters (UTF-8). */
static void shorten(const publisher *p, const char *name, char out[VERSIONS_FAR_SIZE])
{
    const size_t room = VERSIONS_FAR_SIZE - sizeof "...";
    const int size = snprintf(out, room + 1, "%s%s%s", p->path, *p->path && *name ? "/" : "", name);
    if (size < 0 || (size_t)size <= room) return;
    size_t kept = room;
    while (kept > room - 4 && ((unsigned char)out[kept - 1] & 0xc0) == 0x80) kept--;
    if ((unsigned char)out[kept - 1] >= 0xc0) kept--; /* a character that was cut, or may have been */
    memcpy(out + kept, "...", sizeof "...");
}

int versions_publish_far(publisher *p, const char *name)
{
    versions_losses *lost = &p->out->lost;
    char path[VERSIONS_FAR_SIZE];
    if (p->live) {
        if (!lost->far++) shorten(p, name, lost->farthest);
        return PROG_OK;
    }
    shorten(p, name, path);
    return prog_fail(PROG_REFUSED, "%s: the path has more than %d bytes or %d directories", path, PROG_PATH_SIZE_MAX,
                     PROG_DEPTH_MAX);
}

bool versions_publish_enter(publisher *p, const char *name)
{
    const size_t size = strlen(name);
    if (p->path_size + (p->path_size > 0) + size > PROG_PATH_SIZE_MAX) return false;
    if (p->path_size) p->path[p->path_size++] = '/';
    memcpy(p->path + p->path_size, name, size + 1);
    p->path_size += size;
    return true;
}

void versions_publish_leave(publisher *p, size_t before)
{
    assert(before <= p->path_size);
    p->path_size = before;
    p->path[before] = 0;
}

const char *versions_publish_last_name(const publisher *p)
{
    const char *slash = strrchr(p->path, '/');
    return slash ? slash + 1 : p->path;
}

/* Add the result of the scan to the inventory. */
static void record_found(publisher *p, int dir, const char *name, const versions_found *f)
{
    os_info info = {.kind = OS_OTHER, .mode = f->mode & 0777, .size = f->file.size,
                    .volume = f->file.device, .number = f->file.inode, .names = f->names,
                    .user = f->user, .group = f->group, .mtime_ns = f->file.mtime_ns,
                    .ctime_ns = f->file.ctime_ns, .special = (f->mode & 07000) != 0,
                    .thin = f->thin};
    if (!p->inventory) return;
    if (S_ISREG(f->mode)) info.kind = OS_FILE;
    if (S_ISDIR(f->mode)) info.kind = OS_FOLDER;
    if (S_ISLNK(f->mode)) info.kind = OS_LINK;
    versions_inventory_add(p->inventory, (unsigned)p->depth, dir, name, &info, f->now_ns);
}

static int send_any(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    const size_t before = p->path_size;
    int status = PROG_OK;
    if (!versions_publish_enter(p, f->name)) return versions_publish_far(p, f->name);
    if (!f->error) record_found(p, dir, f->name, f);
    if (f->error && versions_publish_leaves_out(p, f->error)) {
        status = PROG_OK;
    } else if (f->error) {
        errno = f->error;
        status = versions_publish_cannot_read(p);
    } else if (S_ISDIR(f->mode)) {
        status = f->dir ? versions_publish_dir(p, f->dir, folder) : versions_publish_far(p, "");
    } else {
        status = versions_publish_content(p, dir, f, folder);
    }
    versions_publish_leave(p, before);
    return status;
}

static void record_top(publisher *p, const versions_found *self)
{
    p->depth--;
    record_found(p, -1, "", self);
    p->depth++;
}

/* Recursion is limited by PROG_DEPTH_MAX. */
int versions_publish_dir(publisher *p, versions_scan *scan, const versions_found *folder)
{
    size_t count = 0;
    int status = PROG_OK;
    const bool is_top = p->depth == 0;
    assert(p->depth < PROG_DEPTH_MAX);
    p->depth++;
    if ((errno = versions_ahead_enter(&p->ahead, scan)) != 0) {
        if (*p->path && versions_publish_leaves_out(p, errno)) {
            p->depth--;
            versions_ahead_leave(&p->ahead, scan);
            return PROG_OK;
        }
        status = versions_publish_cannot_read(p);
    }
    if (status) return status;
    const versions_found *self = versions_scan_self(scan);
    versions_found *list = versions_scan_list(scan, &count);
    versions_found here = *self;
    here.name = ""; /* the directory itself, which is open */
    if (is_top) record_top(p, self);
    p->link = 0;
    status = versions_metadata_read(&p->extras, versions_scan_fd(scan), &here, folder);
    if (!status) status = versions_publish_need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (!status) {
        const char *name = versions_publish_last_name(p);
        versions_publish_event(p, A_DIR, DX_TREE_DIR, name, NULL, 0, self);
    }
    for (size_t i = 0; !status && i < count; i++)
        status = send_any(p, versions_scan_fd(scan), &list[i], self);
    assert(p->depth > 0);
    p->depth--;
    if (!status) status = versions_publish_need(p, 0);
    if (status) return status; /* directories ahead of the walk are closed at the end */
    versions_publish_event(p, A_DIR_END, DX_TREE_DIR, "", NULL, 0, NULL);
    versions_ahead_leave(&p->ahead, scan);
    return PROG_OK;
}
#endif
