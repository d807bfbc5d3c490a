/* The inventory of a destination:

       rows   root | a | a/x | a/y | b ...     depth first, the names of a directory sorted; `end`
                                               is the index after the last row below it

   A row holds the result of stat(). A file written within the current tick of the file system's clock
   can change again without a new time, so such files are hashed (git does the same for its index).
   Where stores through a shared mapping do not update times, all files are hashed.

   Removal avoids the race between comparing and unlinking: a file is first renamed to a random name,
   which no other process knows, then a lease is taken, then it is compared, then removed. While
   another process has the file open or mapped for writing, no lease is granted, and the file stays:
   later writes would be lost. Directories are removed by rmdir(), which fails if they have new entries.

   An unchanged file has a second link by then, in the new directory, and whatever is written to it
   stays there, so no lease is needed. The linked files of a directory get the same random name in
   turn: the rename of the next one removes the previous one, which has been compared. A removal
   then takes one rename and two lookups.

   The rows below one row are saved as a file:

       "DXKEPT1\n" | size of a row, count, size of the names | rows | names | hash of all before it

   The next process reads it if this one was killed. Some of the entries may then be gone, or have a
   random name. */
#include "inventory.h"

#include "names.h"

#include "../common/os.h"

#include "../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RACY_NS 2000000000 /* the coarsest clock of a supported file system: FAT */

enum { HEAD_SIZE = 8 + 3 * 4, ASIDE_SIZE = 6 + 32 }; /* bytes */

typedef struct row {
    os_info  info;
    uint32_t name; /* in text */
    uint32_t end;  /* the row after it and all below it */
    bool     hashed;
    bool     linked; /* the last comparison found it with the name that the new directory gives it */
    uint8_t  hash[PROG_HASH_SIZE];
} row;

struct versions_inventory {
    row     *rows;
    uint32_t count, room;
    char    *text; /* zero-terminated names */
    size_t   text_size, text_room;
    bool     hash_all;
    uint32_t open[PROG_DEPTH_MAX + 2]; /* nested rows whose end is not known yet */
    unsigned open_count;
    bool     resumed; /* loaded from a file: a removal may have been interrupted */
};

static void *grown(void *old, size_t *room, size_t need, size_t each)
{
    if (need <= *room) return old;
    *room = need + need / 2 + 64;
    void *bytes = realloc(old, *room * each);
    if (!bytes) abort(); /* as prog_alloc() */
    return bytes;
}

/* >>rows --------------------------------------------------------------- */
/* Hash the content of a file or the target of a link. -1 and errno. */
static int hash_entry(int folder, const char *name, int kind, uint8_t out[PROG_HASH_SIZE])
{
    uint8_t buffer[PROG_IO_SIZE];
    dx_cas_blake3 h;
    int64_t n;
    dx_cas_blake3_init(&h);
    if (kind == OS_LINK) {
        n = os_read_link_in(folder, name, (char *)buffer, sizeof buffer);
        if (n > 0) dx_cas_blake3_update(&h, buffer, (size_t)n);
    } else {
        int file = folder < 0 ? os_open(name) : os_open_in(folder, name, OS_FILE);
        if (file < 0) return -1;
        while ((n = os_read(file, buffer, sizeof buffer)) > 0)
            dx_cas_blake3_update(&h, buffer, (size_t)n);
        os_close(file);
    }
    dx_cas_blake3_final(&h, out, PROG_HASH_SIZE);
    return n < 0 ? -1 : 0;
}

/* Has the result of stat() changed, or the hash if there is one? A second hard link also changes ctime,
   but then the file is still in the new directory (or elsewhere), so nothing is lost. */
static bool differs(const row *r, const os_info *now, int folder, const char *name, bool resumed)
{
    uint8_t hash[PROG_HASH_SIZE];
    const os_info *was = &r->info;
    if (now->kind != was->kind || now->volume != was->volume || now->number != was->number ||
        now->user != was->user || now->group != was->group)
        return true;
    if (was->kind == OS_FOLDER && resumed) return false; /* an interrupted removal changed its mode */
    if (now->mode != was->mode) return true;
    if (was->kind == OS_FOLDER) return false; /* its entries are compared instead */
    if (now->size != was->size || now->mtime_ns != was->mtime_ns) return true;
    if (now->names == was->names && now->ctime_ns != was->ctime_ns) return true;
    if (!r->hashed || now->names > was->names) return false;
    return hash_entry(folder, name, was->kind, hash) < 0 || memcmp(hash, r->hash, sizeof hash) != 0;
}

/* The rows of this depth and deeper are complete: set their ends. */
static void close_rows(versions_inventory *v, unsigned depth)
{
    while (v->open_count > depth) v->rows[v->open[--v->open_count]].end = v->count;
}

static row *add_row(versions_inventory *v, unsigned depth, const char *name, const os_info *info)
{
    close_rows(v, depth);
    assert(v->open_count == depth && depth < sizeof v->open / sizeof *v->open);
    size_t size = strlen(name) + 1, room = v->room;
    assert(v->count < UINT32_MAX - 1 && v->text_size < UINT32_MAX - size);
    v->rows = grown(v->rows, &room, v->count + 1, sizeof *v->rows);
    v->room = (uint32_t)room;
    v->text = grown(v->text, &v->text_room, v->text_size + size, 1);
    row *r = &v->rows[v->count];
    memset(r, 0, sizeof *r);
    r->info = *info;
    r->name = (uint32_t)v->text_size;
    memcpy(v->text + v->text_size, name, size);
    v->text_size += size;
    v->open[v->open_count++] = v->count++;
    return r;
}

void versions_inventory_begin(versions_inventory **out, const char *path)
{
    versions_inventory *v = *out = prog_alloc(sizeof *v);
    memset(v, 0, sizeof *v);
    v->hash_all = !os_maps_update_times(path);
}

void versions_inventory_add(versions_inventory *v, unsigned depth, int folder, const char *name,
                            const os_info *info, int64_t now_ns)
{
    row *r = add_row(v, depth, name, info);
    if (!depth || (info->kind != OS_FILE && info->kind != OS_LINK)) return;
    r->hashed = v->hash_all || info->ctime_ns > now_ns - RACY_NS;
    if (r->hashed && hash_entry(folder, name, info->kind, r->hash) < 0)
        memset(r->hash, 0, sizeof r->hash); /* no hash: it will count as changed */
}

void versions_inventory_end(versions_inventory *v) { close_rows(v, 0); }

static int add_folder(versions_inventory *v, const char *name, int folder, unsigned depth);

/* Add an entry and everything below it. Entries that disappear during the walk are skipped. */
static int add_entry(versions_inventory *v, int folder, const char *name, unsigned depth)
{
    os_info info;
    int64_t now_ns = prog_time_ns();
    if (os_stat_in(folder, name, &info) < 0)
        return errno == ENOENT ? PROG_OK : prog_fail_errno("%s", name);
    versions_inventory_add(v, depth, folder, name, &info, now_ns);
    if (info.kind != OS_FOLDER) return PROG_OK;
    if (depth > PROG_DEPTH_MAX) return prog_fail(PROG_REFUSED, "%s: directories are nested too "
                                                               "deep", name);
    int fd = os_open_in(folder, name, OS_FOLDER);
    if (fd < 0) return errno == ENOENT ? PROG_OK : prog_fail_errno("%s", name);
    int status = add_folder(v, name, fd, depth + 1);
    os_close(fd);
    return status;
}

/* The recursion is bounded by the limit of depth. */
static int add_folder(versions_inventory *v, const char *name, int folder, unsigned depth)
{
    versions_names n;
    int status = PROG_OK;
    if (versions_names_read(&n, folder) < 0)
        status = prog_fail_errno("%s", *name ? name : "the destination");
    for (size_t i = 0; i < n.count && !status; i++)
        status = add_entry(v, folder, n.list[i], depth);
    versions_names_free(&n);
    return status;
}

int versions_inventory_read(versions_inventory **out, const char *path)
{
    os_info info;
    const bool there = path && os_stat(path, true, &info) == 0;
    versions_inventory *v = *out = prog_alloc(sizeof *v);
    memset(v, 0, sizeof *v);
    if (!there) return PROG_OK;
    v->hash_all = !os_maps_update_times(path);
    row *r = add_row(v, 0, "", &info);
    v->rows[0].end = 1;
    if (info.kind == OS_FILE) {
        r->hashed = v->hash_all || info.ctime_ns > prog_time_ns() - RACY_NS;
        if (r->hashed && hash_entry(-1, path, OS_FILE, r->hash) < 0)
            return prog_fail_errno("%s", path);
    }
    if (info.kind != OS_FOLDER) return PROG_OK;
    int folder = os_open_folder(path);
    if (folder < 0) return prog_fail_errno("%s", path);
    int status = add_folder(v, path, folder, 1);
    versions_inventory_end(v);
    os_close(folder);
    return status;
}

/* >>saved -------------------------------------------------------------- */
/* The row of a relative path; the row count if no row has it. */
static uint32_t find_row(const versions_inventory *v, const char *path)
{
    uint32_t at = 0;
    while (*path && at < v->count) {
        size_t size = strcspn(path, "/");
        uint32_t next = at + 1, end = v->rows[at].end;
        while (next < end) {
            const char *name = v->text + v->rows[next].name;
            if (!strncmp(name, path, size) && !name[size]) break;
            next = v->rows[next].end;
        }
        at = next < end ? next : v->count;
        path += size + (path[size] == '/');
    }
    return at;
}

int versions_inventory_save(const versions_inventory *v, const char *at, const char *path)
{
    const uint32_t top = find_row(v, at), count = top < v->count ? v->rows[top].end - top : 0;
    const uint32_t from = count ? v->rows[top].name : 0;
    const size_t last = count ? v->rows[top + count - 1].name : 0;
    const size_t text = count ? last + strlen(v->text + last) + 1 - from : 0;
    const uint32_t head[3] = {sizeof(row), count, (uint32_t)text};
    const size_t body = HEAD_SIZE + count * sizeof(row) + text, size = body + PROG_HASH_SIZE;
    uint8_t *bytes = prog_alloc(size);
    dx_cas_id id;
    memcpy(bytes, "DXKEPT1\n", 8);
    memcpy(bytes + 8, head, sizeof head);
    for (uint32_t i = 0; i < count; i++) {
        row r = v->rows[top + i];
        r.name -= from;
        r.end -= top;
        memcpy(bytes + HEAD_SIZE + i * sizeof r, &r, sizeof r);
    }
    if (text) memcpy(bytes + HEAD_SIZE + count * sizeof(row), v->text + from, text);
    dx_cas_hash(bytes, body, &id);
    memcpy(bytes + body, id.bytes, sizeof id.bytes);
    int file = os_open_staging(path, false);
    bool good = file >= 0 && os_empty(file) == 0 && os_write(file, bytes, size) == 0 &&
                os_sync(file) == 0;
    int status = good ? PROG_OK : prog_fail_errno("%s", path);
    if (file >= 0) os_close(file);
    free(bytes);
    return status;
}

/* Check that the rows are properly nested and have names. */
static bool is_sound(const versions_inventory *v)
{
    if (!v->count || !v->text_size || v->text[v->text_size - 1]) return false;
    for (uint32_t i = 0; i < v->count; i++)
        if (v->rows[i].end <= i || v->rows[i].end > v->count || v->rows[i].name >= v->text_size)
            return false;
    return v->rows[0].end == v->count;
}

static bool parse_saved(versions_inventory *v, const uint8_t *bytes, size_t size)
{
    uint32_t head[3];
    dx_cas_id id;
    if (size < HEAD_SIZE + sizeof id.bytes || memcmp(bytes, "DXKEPT1\n", 8) != 0) return false;
    memcpy(head, bytes + 8, sizeof head);
    const size_t body = size - sizeof id.bytes, room = body - HEAD_SIZE;
    if (head[0] != sizeof(row) || head[1] > room / sizeof(row) ||
        head[2] != room - head[1] * sizeof(row))
        return false;
    dx_cas_hash(bytes, body, &id);
    if (memcmp(id.bytes, bytes + body, sizeof id.bytes) != 0) return false;
    v->count = v->room = head[1];
    v->text_size = v->text_room = head[2];
    v->rows = prog_alloc(v->count * sizeof(row) + 1);
    v->text = prog_alloc(v->text_size + 1);
    memcpy(v->rows, bytes + HEAD_SIZE, v->count * sizeof(row));
    memcpy(v->text, bytes + HEAD_SIZE + v->count * sizeof(row), v->text_size);
    return is_sound(v);
}

versions_inventory *versions_inventory_load(const char *path, bool *damaged)
{
    os_info info;
    versions_inventory *v = NULL;
    int file = os_open(path);
    *damaged = false;
    if (file < 0) return NULL;
    const void *bytes = NULL;
    if (os_info_of(file, &info) == 0 && info.kind == OS_FILE && info.size < INT32_MAX)
        bytes = os_map(file, (size_t)info.size);
    os_close(file);
    v = prog_alloc(sizeof *v);
    memset(v, 0, sizeof *v);
    v->resumed = true;
    *damaged = !bytes || !parse_saved(v, bytes, (size_t)info.size);
    if (bytes) os_unmap(bytes, (size_t)info.size);
    if (!*damaged) return v;
    versions_inventory_free(v);
    return NULL;
}

bool versions_inventory_is_of(const versions_inventory *v, const char *path)
{
    os_info now;
    const os_info *was = v->count ? &v->rows[0].info : NULL;
    return was && os_stat(path, false, &now) == 0 && now.kind == was->kind &&
           now.number == was->number && now.volume == was->volume;
}

bool versions_inventory_is_empty(const versions_inventory *v) { return !v->count; }

void versions_inventory_free(versions_inventory *v)
{
    if (!v) return;
    free(v->rows);
    free(v->text);
    free(v);
}

/* >>comparison --------------------------------------------------------- */
/* One comparison, or removal. */
typedef struct walk {
    const versions_inventory *v;
    versions_changes         *changes;
    bool                      removes;
    const versions_removal   *removal; /* or NULL */
    bool                      moved; /* renaming changed its ctime */
    bool                      aside; /* a file in the open folder has this name and will be removed: */
    char                      aside_name[ASIDE_SIZE + 1];
    os_info                   aside_info; /* its state, */
    int64_t                   aside_ns;   /* and when that was looked up */
    size_t                    size; /* of path */
    char                      path[PROG_PATH_SIZE_MAX + 1];
} walk;

static void add_change(walk *w, const char *what)
{
    versions_changes *c = w->changes;
    for (size_t i = 0; i < c->count && i < VERSIONS_CHANGES_NAMED; i++)
        if (!strcmp(c->named[i].path, w->path)) return;
    if (c->count < VERSIONS_CHANGES_NAMED) {
        c->named[c->count].what = what;
        memcpy(c->named[c->count].path, w->path, w->size + 1);
    }
    c->count++;
}

/* Append a name to the path of the walk; false: too long, so it cannot be in the inventory. */
static bool enter(walk *w, const char *name)
{
    size_t size = strlen(name), slash = w->size > 0;
    if (slash + size > PROG_PATH_SIZE_MAX - w->size) return false;
    if (slash) w->path[w->size++] = '/';
    memcpy(w->path + w->size, name, size + 1);
    w->size += size;
    return true;
}

static void leave(walk *w, size_t size)
{
    w->size = size;
    w->path[size] = 0;
}

static bool name_aside(char out[ASIDE_SIZE + 1])
{
    uint8_t random[16];
    if (!os_random(random, sizeof random)) return false;
    memcpy(out, ".dxup-", 7);
    for (size_t i = 0; i < sizeof random; i++) snprintf(out + 6 + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* Compare the entry renamed to `aside`. NULL: unchanged, and no other process can write to it while
   *held is open. *held: the descriptor with the lease, or -1; it may be open already. */
static const char *check_aside(const row *r, int folder, const char *aside, int *held)
{
    os_info now, is;
    if (*held < 0 && r->info.kind == OS_FILE) *held = os_open_in(folder, aside, OS_FILE);
    if (*held >= 0 && os_hold(*held) == OS_IN_USE) return "open for writing";
    if (os_stat_in(folder, aside, &now) < 0) return "gone";
    if (*held >= 0 && (os_info_of(*held, &is) < 0 || is.number != now.number)) return "changed";
    now.ctime_ns = r->info.ctime_ns; /* renaming changes it on some file systems */
    return differs(r, &now, folder, aside, false) ? "changed" : NULL;
}

/* Remove a file if it is unchanged. No other process finds it under its random name. */
static int remove_entry(walk *w, const row *r, int folder, const char *name)
{
    char aside[ASIDE_SIZE + 1];
    int status = PROG_OK, held = -1;
    if (!name_aside(aside)) return prog_fail_errno("the system's random numbers");
    if (os_rename_in(folder, name, aside) < 0) {
        if (errno == ENOENT) return PROG_OK;
        if (errno == ENOSYS && os_remove_in(folder, name, OS_FILE) == 0) return PROG_OK;
        return prog_fail_errno("%s: cannot be removed", w->path);
    }
    const char *what = check_aside(r, folder, aside, &held);
    if (what) {
        add_change(w, what);
        (void)os_rename_in(folder, aside, name); /* if the name is taken it keeps the random one */
    } else if (os_remove_in(folder, aside, OS_FILE) < 0) {
        status = prog_fail_errno("%s: cannot be removed", w->path);
    }
    if (held >= 0) os_close(held);
    return status;
}

/* The file under the random name has lost that name. */
static void aside_is_gone(walk *w)
{
    assert(w->aside);
    w->aside = false;
    if (w->removal && w->removal->unlinked)
        w->removal->unlinked(w->removal->user, &w->aside_info, w->aside_ns);
}

/* Remove the file under the random name, before the walk enters or leaves a folder. */
static int drop_aside(walk *w, int folder)
{
    if (!w->aside) return PROG_OK;
    if (os_remove_in(folder, w->aside_name, OS_FILE) < 0)
        return prog_fail_errno("%s: %s cannot be removed", w->path, w->aside_name);
    aside_is_gone(w);
    return PROG_OK;
}

/* Does it have exactly one more link, the one in the new directory? Only files with a single link
   are linked there. */
static bool is_linked(const row *r, const os_info *now)
{
    return now->kind == OS_FILE && r->info.names == 1 && now->names == 2;
}

/* Give a linked file the random name, under which it is removed later. now: its state, looked up after
   now_ns. *done: renamed, or found changed; otherwise the caller removes it as any other file. */
static int put_aside(walk *w, const row *r, int folder, const char *name, const os_info *now,
                     int64_t now_ns, bool *done)
{
    os_info is;
    *done = false;
    if (!w->aside && !name_aside(w->aside_name)) return prog_fail_errno("the system's random numbers");
    if ((w->aside ? os_rename_over_in : os_rename_in)(folder, name, w->aside_name) < 0) {
        *done = errno == ENOENT; /* it has vanished */
        return drop_aside(w, folder);
    }
    if (w->aside) aside_is_gone(w);
    *done = true;
    w->aside_info = *now;
    w->aside_ns = now_ns;
    w->aside = os_stat_in(folder, w->aside_name, &is) == 0 && is_linked(r, &is) &&
               !differs(r, &is, folder, w->aside_name, false);
    if (w->aside) return PROG_OK;
    add_change(w, "changed");
    (void)os_rename_in(folder, w->aside_name, name); /* if the name is taken it keeps the random one */
    return PROG_OK;
}

static int visit_folder(walk *w, uint32_t at, int folder);

static int visit_subfolder(walk *w, uint32_t at, int folder, const char *name)
{
    const row *r = &w->v->rows[at];
    int fd = os_open_in(folder, name, OS_FOLDER);
    if (fd < 0) return prog_fail_errno("%s", w->path);
    uint64_t before = w->changes->count;
    int status = visit_folder(w, at, fd);
    if (!status && w->removes && w->changes->count == before &&
        os_remove_in(folder, name, OS_FOLDER) < 0 && errno != ENOENT)
        add_change(w, "new"); /* it has a new entry */
    if (w->removes && w->changes->count != before) (void)os_set_open_mode(fd, r->info.mode);
    os_close(fd);
    return status;
}

/* One that is in the new directory, too, is compared by the first of two comparisons and by the
   removal: nothing is lost when that is the one to find a change. */
static int visit(walk *w, uint32_t at, int folder, const char *name)
{
    os_info now;
    row *r = &w->v->rows[at];
    if (r->linked && w->moved && !w->removes) return PROG_OK;
    const int64_t now_ns = w->removes ? prog_time_ns() : 0;
    if (os_stat_in(folder, name, &now) < 0) {
        if (!w->v->resumed) add_change(w, "gone");
        return PROG_OK;
    }
    r->linked = is_linked(r, &now);
    if (differs(r, &now, folder, name, w->v->resumed)) {
        add_change(w, "changed");
        return PROG_OK;
    }
    if (!w->removes) return now.kind == OS_FOLDER ? visit_subfolder(w, at, folder, name) : PROG_OK;
    int status = PROG_OK;
    bool done = false;
    if (is_linked(r, &now)) status = put_aside(w, r, folder, name, &now, now_ns, &done);
    else status = drop_aside(w, folder);
    if (status || done) return status;
    return now.kind == OS_FOLDER ? visit_subfolder(w, at, folder, name)
                                 : remove_entry(w, r, folder, name);
}

/* A name that is not in the inventory. It may be the random name of an interrupted removal. */
static int visit_new(walk *w, uint32_t at, int folder, const char *name)
{
    os_info now;
    const versions_inventory *v = w->v;
    if (v->resumed && strlen(name) == ASIDE_SIZE && !memcmp(name, ".dxup-", 6) &&
        os_stat_in(folder, name, &now) == 0)
        for (uint32_t i = at + 1; i < v->rows[at].end; i = v->rows[i].end) {
            row r = v->rows[i];
            if (r.info.number != now.number || r.info.kind == OS_FOLDER) continue;
            r.info.ctime_ns = now.ctime_ns;
            if (!differs(&r, &now, folder, name, true))
                return w->removes ? remove_entry(w, &r, folder, name) : PROG_OK;
        }
    add_change(w, "new");
    return PROG_OK;
}

/* Merge two sorted lists: the rows below `at`, and the names that exist now. */
static int visit_names(walk *w, uint32_t at, int folder, const versions_names *n)
{
    const versions_inventory *v = w->v;
    const size_t size = w->size;
    uint32_t next = at + 1;
    int status = PROG_OK;
    for (size_t i = 0; !status && (i < n->count || next < v->rows[at].end);) {
        const char *was = next < v->rows[at].end ? v->text + v->rows[next].name : NULL;
        int order = -1;
        if (i == n->count) order = 1;
        else if (was) order = strcmp(n->list[i], was);
        if (!enter(w, order <= 0 ? n->list[i] : was))
            return prog_fail(PROG_REFUSED, "%s: the path is too long", w->path);
        if (order < 0) status = visit_new(w, at, folder, n->list[i]);
        else if (order == 0) status = visit(w, next, folder, was);
        else if (!v->resumed) add_change(w, "gone");
        leave(w, size);
        i += order <= 0;
        if (order >= 0) next = v->rows[next].end;
    }
    return status;
}

static int visit_folder(walk *w, uint32_t at, int folder)
{
    versions_names n;
    int status = PROG_OK;
    assert(at < w->v->count);
    if (w->removes) (void)os_set_open_mode(folder, 0700);
    if (versions_names_read(&n, folder) < 0)
        status = prog_fail_errno("%s", *w->path ? w->path : "the old destination");
    if (!status) status = visit_names(w, at, folder, &n);
    const int dropped = drop_aside(w, folder);
    if (!status) status = dropped;
    versions_names_free(&n);
    return status;
}

/* Remove the old file of a destination that is a file. No other process looks for its name. */
static int remove_file(walk *w, const row *r, const char *path)
{
    os_info now;
    int file = os_open(path), status = PROG_OK;
    if (file >= 0 && os_hold(file) == OS_IN_USE) add_change(w, "open for writing");
    else if (os_stat(path, true, &now) < 0) add_change(w, "gone");
    else now.ctime_ns = r->info.ctime_ns;
    if (w->changes->count) status = PROG_OK;
    else if (differs(r, &now, -1, path, w->v->resumed)) add_change(w, "changed");
    else if (os_remove(path) < 0) status = prog_fail_errno("%s", path);
    if (file >= 0) os_close(file);
    return status;
}

static int walk_all(walk *w, const char *at, const char *path)
{
    os_info now;
    uint32_t top = find_row(w->v, at);
    if (strlen(at) <= PROG_PATH_SIZE_MAX) enter(w, at);
    const bool there = os_stat(path, true, &now) == 0;
    if (!there || top == w->v->count) {
        if (there || top != w->v->count) add_change(w, there ? "new" : "gone");
        return PROG_OK;
    }
    const row *r = &w->v->rows[top];
    if (w->moved) now.ctime_ns = r->info.ctime_ns;
    if (differs(r, &now, -1, path, w->v->resumed)) {
        add_change(w, "changed");
        return PROG_OK;
    }
    if (now.kind != OS_FOLDER) return w->removes ? remove_file(w, r, path) : PROG_OK;
    int folder = os_open_folder(path);
    if (folder < 0) return prog_fail_errno("%s", path);
    uint64_t before = w->changes->count;
    int status = visit_folder(w, top, folder);
    if (w->removes && (status || w->changes->count != before))
        (void)os_set_open_mode(folder, r->info.mode);
    os_close(folder);
    if (!status && w->removes && w->changes->count == before && os_remove_folder(path) < 0)
        add_change(w, "new");
    return status;
}

int versions_inventory_compare(const versions_inventory *v, const char *at, const char *path,
                               bool moved, versions_changes *changes)
{
    walk w = {.v = v, .changes = changes, .moved = moved};
    return walk_all(&w, at, path);
}

int versions_inventory_remove(const versions_inventory *v, const char *at, const char *path,
                              const versions_removal *removal, versions_changes *changes)
{
    walk w = {.v = v, .changes = changes, .removal = removal, .removes = true, .moved = true};
    return walk_all(&w, at, path);
}

void versions_changes_print(const versions_changes *c, const char *where)
{
    uint64_t named = c->count < VERSIONS_CHANGES_NAMED ? c->count : VERSIONS_CHANGES_NAMED;
    for (uint64_t i = 0; i < named; i++)
        prog_warn("%s%s%s is %s", where, *c->named[i].path ? "/" : "", c->named[i].path,
                  c->named[i].what);
    if (c->count > named)
        prog_warn("%llu more are new, changed or gone", (unsigned long long)(c->count - named));
}
