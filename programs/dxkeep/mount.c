/* dxkeep mount: the versions of a store as folders, read-only (FUSE).

       POINT/latest         -> 47         links, which lead to another version as soon as there is one
       POINT/consistent     -> 46
       POINT/46/...                       a version, as the directory was
       POINT/2h             -> 12         any other moment: not listed, but found

   The system asks for a path at a time. Each is walked from the root of its version, with a binary search
   in each directory, and content is verified by its hash. Nothing of a version ever changes,
   so the system may keep what it has read. Versions that other processes add are seen at once, and
   those that they remove are gone, except files that are open. */
#include "keep.h"

#include "../common/os.h"

#ifdef DXKEEP_FUSE
#define FUSE_USE_VERSION 31
#include "../versions/tree/entry_reader.h"
#include "../versions/tree/metadata.h"

#include <assert.h>
#include <errno.h>
#include <fuse3/fuse.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Something open. The system may end the mount before it says that a file was closed. */
typedef struct handle {
    struct handle *next, **link;
    void         (*close)(struct handle *h);
} handle;

typedef struct mount {
    const keep_options *o;
    versions_store     *store;
    versions_belongs    own; /* of entries without an owner at the top */
    struct timespec     since;
    handle             *open; /* a list */
} mount_state;

/* The entry at a path, and its version. */
typedef struct found {
    versions_version version;
    versions_belongs owner;   /* of the last entry that has one */
    dx_tree_entry    root;    /* of the version */
    uint8_t          extras[DX_TREE_EXTRAS_MAX]; /* of the root */
    char             path[PROG_PATH_SIZE_MAX + 1]; /* in the version; "": its root */
} found;

/* Called with an entry, which is valid until it returns. Returns 0 or -errno. */
typedef int visit(void *user, mount_state *m, const found *f, const dx_tree_entry *e);

static mount_state *mounted(void)
{
    return fuse_get_context()->private_data;
}

static void handle_add(mount_state *m, handle *h, void (*close)(handle *h))
{
    h->close = close;
    h->next = m->open;
    h->link = &m->open;
    if (h->next) h->next->link = &h->next;
    m->open = h;
}

static void handle_close(handle *h)
{
    assert(*h->link == h);
    *h->link = h->next;
    if (h->next) h->next->link = h->link;
    h->close(h);
    free(h);
}

/* The system's error for a status; the message was printed. */
static int error_of(int status)
{
    if (status == PROG_OK) return 0;
    return status == PROG_NOT_FOUND ? -ENOENT : -EIO;
}

/* >>paths -------------------------------------------------------------- */
/* Split "/46/a/b" into its first name, and the rest. */
static int split(const char *path, char first[NAME_MAX + 1], const char **rest)
{
    assert(*path == '/');
    const size_t size = strcspn(path + 1, "/");
    if (size > NAME_MAX) return -ENAMETOOLONG;
    memcpy(first, path + 1, size);
    first[size] = 0;
    *rest = path + 1 + size;
    if (**rest) ++*rest;
    return 0;
}

static bool is_number(const char *text)
{
    return *text && *text != '0' && strlen(text) < 20 && strspn(text, "0123456789") == strlen(text);
}

/* The version of a moment, of which many are no moments at all: file managers try names. */
static int find_moment(mount_state *m, const char *text, versions_version *out)
{
    prog_mute(true);
    int status = versions_store_refresh(&m->store);
    if (!status) status = keep_moment_find(m->store, m->o, text, out);
    prog_mute(false);
    if (status == PROG_USAGE || status == PROG_NOT_FOUND) return -ENOENT;
    if (!status && !out->snapshot) return -ENOENT; /* a file, or a stream of dxup */
    return error_of(status);
}

/* From an entry on, walk along the names of rest, and visit the last. */
static int walk(mount_state *m, found *f, const dx_tree_entry *e, const char *rest, visit *call, void *user)
{
    dx_tree_entry dir = *e, next;
    for (int depth = 0; *rest; depth++) {
        const size_t size = strcspn(rest, "/");
        versions_listing listing;
        bool end = false;
        if (dir.type != DX_TREE_DIR) return -ENOTDIR;
        if (depth > PROG_DEPTH_MAX) return -ENAMETOOLONG;
        versions_listing_open(&listing, m->store, &dir);
        int error = error_of(versions_listing_seek(&listing, rest, size, &next, &end));
        if (!error && (end || dx_tree_compare_names(next.name, next.name_size, rest, size))) error = -ENOENT;
        if (!error) versions_owner_of(&next, true, &f->owner);
        rest += size + (rest[size] == '/');
        if (!error && !*rest) error = call(user, m, f, &next);
        dir = versions_listing_detach(&next);
        versions_listing_close(&listing);
        if (error || !*rest) return error;
    }
    return call(user, m, f, e);
}

/* >>hard links: an entry that names an earlier one, which has everything ------ */
typedef struct follower {
    visit *call;
    void  *user;
    bool   another; /* the entry was one; path has the first name */
    char   path[PROG_PATH_SIZE_MAX + 1];
} follower;

static int follow(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    follower *l = user;
    unsigned up;
    const void *name;
    size_t size;
    if (!dx_tree_read_same(e, &up, &name, &size)) return l->call(l->user, m, f, e);
    if (l->another || versions_link_path(e, f->path, l->path)) return -EIO;
    l->another = true;
    return 0;
}

static int visit_in(mount_state *m, found *f, const char *path, follower *l)
{
    f->owner = m->own;
    versions_owner_of(&f->root, true, &f->owner);
    assert(strlen(path) <= PROG_PATH_SIZE_MAX);
    strcpy(f->path, path);
    return walk(m, f, &f->root, f->path, follow, l);
}

/* Visit what a path below the top leads to. -EISDIR: the path is a moment, not a version. */
static int visit_path(const char *path, visit *call, void *user)
{
    mount_state *m = mounted();
    char first[NAME_MAX + 1];
    const char *rest;
    int error = split(path, first, &rest);
    if (!error && !is_number(first)) error = -EISDIR;
    if (!error && strlen(rest) > PROG_PATH_SIZE_MAX) error = -ENAMETOOLONG;
    if (error) return error;
    found *f = prog_alloc(sizeof *f);
    follower *l = prog_alloc(sizeof *l);
    *l = (follower){.call = call, .user = user};
    error = find_moment(m, first, &f->version);
    if (!error) error = error_of(versions_snapshot_root(m->store, f->version.root, &f->root, f->extras));
    if (!error) error = visit_in(m, f, rest, l);
    if (!error && l->another) error = visit_in(m, f, l->path, l);
    free(l);
    free(f);
    return error;
}

/* >>attributes --------------------------------------------------------- */
static uint64_t number_of(const found *f)
{
    dx_cas_id id;
    uint64_t number = 0;
    dx_cas_hash(f->path, strlen(f->path), &id);
    memcpy(&number, id.bytes, sizeof number);
    return (number + f->version.version * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

static int fill(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    static const mode_t types[] = {[DX_TREE_FILE] = S_IFREG, [DX_TREE_DIR] = S_IFDIR, [DX_TREE_LINK] = S_IFLNK,
                                   [DX_TREE_FIFO] = S_IFIFO, [DX_TREE_CHAR] = S_IFCHR, [DX_TREE_BLOCK] = S_IFBLK};
    struct stat *st = user;
    uint32_t major_number, minor_number;
    (void)m;
    assert(e->type >= DX_TREE_FILE && e->type <= DX_TREE_BLOCK);
    st->st_ino = number_of(f);
    st->st_mode = types[e->type] | e->mode;
    st->st_nlink = e->type == DX_TREE_DIR ? 2 : 1;
    st->st_uid = f->owner.user;
    st->st_gid = f->owner.group;
    if (e->type != DX_TREE_DIR) st->st_size = (off_t)e->size;
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_mtim.tv_sec = (time_t)(e->mtime_ns / 1000000000 - (e->mtime_ns % 1000000000 < 0));
    st->st_mtim.tv_nsec = (long)((e->mtime_ns % 1000000000 + 1000000000) % 1000000000);
    st->st_atim = st->st_ctim = st->st_mtim;
    if ((e->type == DX_TREE_CHAR || e->type == DX_TREE_BLOCK)) {
        if (!dx_tree_read_device(e, &major_number, &minor_number)) return -EIO;
        st->st_rdev = makedev(major_number, minor_number);
    }
    return 0;
}

static void fill_top(const mount_state *m, struct stat *st)
{
    st->st_mode = S_IFDIR | 0555;
    st->st_nlink = 2;
    st->st_uid = m->own.user;
    st->st_gid = m->own.group;
    st->st_mtim = st->st_atim = st->st_ctim = m->since;
}

static void fill_moment(const mount_state *m, struct stat *st, const versions_version *v)
{
    char text[32];
    st->st_mode = S_IFLNK | 0777;
    st->st_nlink = 1;
    st->st_uid = m->own.user;
    st->st_gid = m->own.group;
    st->st_size = snprintf(text, sizeof text, "%llu", (unsigned long long)v->version);
    st->st_mtim.tv_sec = (time_t)(v->time_ns / 1000000000);
    st->st_mtim.tv_nsec = (long)(v->time_ns % 1000000000);
    st->st_atim = st->st_ctim = st->st_mtim;
}

/* The version that a name at the top leads to, unless it is a version itself. */
static int moment_of(const char *path, versions_version *v)
{
    char first[NAME_MAX + 1];
    const char *rest;
    int error = split(path, first, &rest);
    if (!error && *rest) error = -ENOTDIR;
    if (!error && is_number(first)) error = -EINVAL;
    return error ? error : find_moment(mounted(), first, v);
}

static int get_attributes(const char *path, struct stat *st, struct fuse_file_info *file)
{
    versions_version v;
    (void)file;
    memset(st, 0, sizeof *st);
    if (!path[1]) {
        fill_top(mounted(), st);
        return 0;
    }
    int error = visit_path(path, fill, st);
    if (error != -EISDIR) return error;
    error = moment_of(path, &v);
    if (!error) fill_moment(mounted(), st, &v);
    return error;
}

/* >>links -------------------------------------------------------------- */
typedef struct target {
    char  *text;
    size_t room; /* with its end */
    size_t size;
} target;

/* A sink: as much of the target as there is room for. */
static int append_target(void *user, const void *bytes, size_t size)
{
    target *t = user;
    const size_t room = t->room - 1 - t->size;
    assert(t->size < t->room);
    if (size > room) size = room;
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    t->text[t->size] = 0;
    return PROG_OK;
}

static int copy_target(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    const versions_entry entry = {.path = f->path, .type = e->type, .size = e->size, .node = e};
    if (e->type != DX_TREE_LINK) return -EINVAL;
    if (e->size > PROG_PATH_SIZE_MAX) return -EIO;
    return error_of(versions_entry_stream(m->store, &f->version, &entry, append_target, user));
}

static int read_link(const char *path, char *text, size_t size)
{
    versions_version v;
    target t = {.text = text, .room = size};
    assert(size);
    *text = 0;
    int error = visit_path(path, copy_target, &t);
    if (error != -EISDIR) return error;
    error = moment_of(path, &v);
    if (!error) snprintf(text, size, "%llu", (unsigned long long)v.version);
    return error;
}

/* >>directories -------------------------------------------------------- */
/* An open directory. Its entries have offsets from 1; who asks for another one than the next begins
   again. */
typedef struct folder {
    handle           handle;
    versions_store  *store;
    dx_tree_entry    dir;
    versions_listing listing;
    off_t            at;      /* of the entry in next, if there is one */
    dx_tree_entry    next;
    bool             end;
} folder;

static int begin_again(folder *d)
{
    versions_listing_close(&d->listing);
    versions_listing_open(&d->listing, d->store, &d->dir);
    d->at = 1;
    d->end = false;
    return error_of(versions_listing_next(&d->listing, &d->next, &d->end));
}

static void end_folder(handle *h)
{
    folder *d = (folder *)h;
    versions_listing_close(&d->listing);
    versions_store_close(d->store);
}

static int open_entry(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    folder **out = user;
    (void)f;
    if (e->type != DX_TREE_DIR) return -ENOTDIR;
    folder *d = prog_alloc(sizeof *d);
    memset(d, 0, sizeof *d);
    d->dir = versions_listing_detach(e);
    d->store = m->store;
    versions_store_hold(d->store);
    versions_listing_open(&d->listing, d->store, &d->dir);
    handle_add(m, &d->handle, end_folder);
    const int error = begin_again(d);
    if (error) handle_close(&d->handle);
    else *out = d;
    return error;
}

static int open_folder(const char *path, struct fuse_file_info *file)
{
    folder *d = NULL;
    int error = 0;
    if (path[1]) error = visit_path(path, open_entry, &d);
    if (error == -EISDIR) error = -ENOTDIR;
    file->fh = (uint64_t)(uintptr_t)d;
    return error;
}

static int close_folder(const char *path, struct fuse_file_info *file)
{
    folder *d = (folder *)(uintptr_t)file->fh;
    (void)path;
    if (d) handle_close(&d->handle);
    return 0;
}

/* The top is made for each reader as a whole: a name for each version. */
static int read_top(mount_state *m, void *out, fuse_fill_dir_t put)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status = versions_store_refresh(&m->store);
    bool consistent = false, any = false;
    if (status) return error_of(status);
    put(out, ".", NULL, 0, 0);
    put(out, "..", NULL, 0, 0);
    while (!(status = versions_history_next(&history, m->store, m->o->name, &v))) {
        char text[32];
        if (!v.snapshot) continue;
        any = true;
        consistent |= v.consistent;
        snprintf(text, sizeof text, "%llu", (unsigned long long)v.version);
        if (put(out, text, NULL, 0, 0)) return -ENOMEM;
    }
    if (any) put(out, "latest", NULL, 0, 0);
    if (consistent) put(out, "consistent", NULL, 0, 0);
    return status == PROG_NOT_FOUND ? 0 : error_of(status);
}

static int read_folder(const char *path, void *out, fuse_fill_dir_t put, off_t offset,
                       struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    folder *d = (folder *)(uintptr_t)file->fh;
    int error = 0;
    (void)path, (void)flags;
    if (!d) return read_top(mounted(), out, put);
    if (offset < 1 && put(out, ".", NULL, 1, 0)) return 0;
    if (offset < 2 && put(out, "..", NULL, 2, 0)) return 0;
    const off_t wanted = offset < 2 ? 1 : offset - 1; /* the first entry that was not given yet */
    if (wanted < d->at) error = begin_again(d);
    while (!error && !d->end) {
        char name[DX_TREE_NAME_MAX + 1];
        memcpy(name, d->next.name, d->next.name_size);
        name[d->next.name_size] = 0;
        if (d->at >= wanted && put(out, name, NULL, d->at + 2, 0)) return 0;
        d->at++;
        error = error_of(versions_listing_next(&d->listing, &d->next, &d->end));
    }
    return error;
}

/* >>files -------------------------------------------------------------- */
typedef struct opened {
    handle                 handle;
    versions_entry_reader *reader;
    uint64_t               size;
} opened;

static void end_file(handle *h)
{
    versions_entry_reader_close(((opened *)h)->reader);
}

static int open_reader(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    opened *file = user;
    const versions_entry entry = {.path = f->path, .type = e->type, .mode = e->mode, .size = e->size, .node = e};
    if (e->type == DX_TREE_DIR) return -EISDIR;
    if (e->type != DX_TREE_FILE) return -ENXIO;
    file->size = e->size;
    return error_of(versions_entry_reader_open(&file->reader, m->store, &f->version, &entry));
}

static int open_file(const char *path, struct fuse_file_info *file)
{
    opened *f;
    if ((file->flags & O_ACCMODE) != O_RDONLY) return -EROFS;
    f = prog_alloc(sizeof *f);
    f->reader = NULL;
    const int error = visit_path(path, open_reader, f);
    if (error) {
        free(f);
        return error;
    }
    handle_add(mounted(), &f->handle, end_file);
    file->fh = (uint64_t)(uintptr_t)f;
    file->keep_cache = 1; /* the content at this path never changes */
    return 0;
}

static int read_file(const char *path, char *out, size_t size, off_t offset, struct fuse_file_info *file)
{
    opened *f = (opened *)(uintptr_t)file->fh;
    (void)path;
    if (offset < 0) return -EINVAL;
    if ((uint64_t)offset >= f->size) return 0;
    if (size > f->size - (uint64_t)offset) size = (size_t)(f->size - (uint64_t)offset);
    if (size > INT_MAX) size = INT_MAX;
    const int error = error_of(versions_entry_reader_read(f->reader, (uint64_t)offset, out, size));
    return error ? error : (int)size;
}

static int close_file(const char *path, struct fuse_file_info *file)
{
    opened *f = (opened *)(uintptr_t)file->fh;
    (void)path;
    handle_close(&f->handle);
    return 0;
}

/* >>extended attributes ------------------------------------------------- */
typedef struct attribute {
    const char *name; /* NULL: list all names */
    char       *out;
    size_t      room; /* 0: only the size is asked for */
    size_t      size;
    bool        has;
} attribute;

static int put_attribute(attribute *a, const void *bytes, size_t size, bool end)
{
    if (a->room) {
        if (size + end > a->room - a->size) return -ERANGE;
        memcpy(a->out + a->size, bytes, size);
        if (end) a->out[a->size + size] = 0;
    }
    a->size += size + end;
    return 0;
}

static int read_attributes(void *user, mount_state *m, const found *f, const dx_tree_entry *e)
{
    attribute *a = user;
    uint8_t *buffer = prog_alloc(DX_TREE_EXTRA_SIZE_MAX);
    const uint8_t *bytes;
    size_t size = 0;
    dx_tree_xattrs walk;
    dx_tree_xattr one;
    int got = 0;
    (void)f;
    int error = error_of(versions_extra_read(m->store, e, DX_TREE_XATTRS, buffer, &bytes, &size));
    if (!error && size) {
        dx_tree_xattrs_begin(&walk, bytes, size);
        while (!error && (got = dx_tree_xattrs_next(&walk, &one)) == 1) {
            const bool is = a->name && strlen(a->name) == one.name_size && !memcmp(a->name, one.name, one.name_size);
            if (!a->name) error = put_attribute(a, one.name, one.name_size, true);
            if (is) error = put_attribute(a, one.value, one.value_size, false);
            a->has |= is;
        }
        if (!error && got) error = -EIO;
    }
    free(buffer);
    return error;
}

static int attributes_of(const char *path, attribute *a)
{
    const int error = path[1] ? visit_path(path, read_attributes, a) : -EISDIR;
    if (error == -EISDIR) return a->name ? -ENODATA : 0; /* a moment, or the top */
    if (!error && a->name && !a->has) return -ENODATA;
    return error ? error : (int)a->size;
}

static int get_attribute(const char *path, const char *name, char *out, size_t room)
{
    attribute a = {.name = name, .out = out, .room = room};
    return attributes_of(path, &a);
}

static int list_attributes(const char *path, char *out, size_t room)
{
    attribute a = {.out = out, .room = room};
    return attributes_of(path, &a);
}

/* >>command ------------------------------------------------------------ */
static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
    mount_state *m = mounted();
    (void)connection;
    config->use_ino = 1;
    config->entry_timeout = config->attr_timeout = 10; /* seconds: a version may be removed */
    config->negative_timeout = 0;                     /* a moment may get its version */
    if (!m->o->quiet) prog_say("%s shows the versions of %s until it is unmounted: umount %s\n", m->o->target,
                               m->o->store, m->o->target);
    fflush(stdout);
    return m;
}

static const struct fuse_operations operations = {
    .init = begin, .getattr = get_attributes, .readlink = read_link,
    .opendir = open_folder, .readdir = read_folder, .releasedir = close_folder,
    .open = open_file, .read = read_file, .release = close_file,
    .getxattr = get_attribute, .listxattr = list_attributes,
};

/* The mount's source in lists of mounts. Commas separate options. */
static char *options_text(const char *store)
{
    static const char fixed[] = "ro,default_permissions,subtype=dxkeep,fsname=";
    char *text = prog_alloc(sizeof fixed + 2 * strlen(store));
    strcpy(text, fixed);
    char *end = text + sizeof fixed - 1;
    for (; *store; store++) {
        if (*store == ',' || *store == '\\') *end++ = '\\';
        *end++ = *store;
    }
    *end = 0;
    return text;
}

static int serve(mount_state *m)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGTERM};
    char *options = options_text(m->o->store);
    char *words[] = {(char *)"dxkeep", (char *)"-o", options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, words);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof operations, m);
    int status = PROG_OK;
    if (!fuse) status = prog_fail(PROG_SYSTEM, "%s: the file system cannot be made", m->o->target);
    if (!status && fuse_mount(fuse, m->o->target))
        status = prog_fail(PROG_SYSTEM, "%s cannot be mounted on: this needs /dev/fuse, and fusermount3 for users "
                                        "other than root", m->o->target);
    if (!status) {
        struct fuse_session *session = fuse_get_session(fuse);
        if (fuse_set_signal_handlers(session)) status = prog_fail(PROG_SYSTEM, "%s: signals cannot be handled", m->o->target);
        if (!status && fuse_loop(fuse) < 0) status = prog_fail(PROG_SYSTEM, "%s: the system ended it", m->o->target);
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) signal(ends[i], SIG_IGN); /* it ends already */
        fuse_remove_signal_handlers(session);
        fuse_unmount(fuse);
    }
    while (m->open) handle_close(m->open);
    if (fuse) fuse_destroy(fuse);
    fuse_opt_free_args(&args);
    free(options);
    return status;
}

int keep_mount(const keep_options *o)
{
    mount_state m = {.o = o};
    os_info info;
    versions_version v;
    assert(o->target);
    int status = versions_store_open(&m.store, o->store, VERSIONS_READ);
    if (status) return status;
    status = keep_moment_find(m.store, o, "latest", &v);
    if (!status && (os_stat(o->target, true, &info) || info.kind != OS_FOLDER))
        status = prog_fail(PROG_NOT_FOUND, "%s is not a directory; make an empty one, which then shows the versions",
                           o->target);
    m.own = (versions_belongs){.known = true, .user = geteuid(), .group = getegid()};
    clock_gettime(CLOCK_REALTIME, &m.since);
    if (!status) status = serve(&m);
    versions_store_close(m.store);
    return status;
}

const char *keep_mount_library(void)
{
    static char text[40];
    snprintf(text, sizeof text, "fuse %.30s", fuse_pkgversion());
    return text;
}

#else
const char *keep_mount_library(void) { return "no fuse"; }

int keep_mount(const keep_options *o)
{
    return prog_fail(PROG_SYSTEM, "%s cannot be mounted: this dxkeep was built without libfuse3", o->store);
}
#endif
