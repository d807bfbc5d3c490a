/* dxkeep export: a version as a tar archive, to a file or to standard output. The version is the
   newest consistent one at a moment. */
#include "keep.h"

#include "tar.h"
#include "../common/json.h"
#include "../common/os.h"
#include "../versions/tree/entries.h"
#include "../versions/tree/entry_reader.h"
#include "../versions/tree/metadata.h"
#include "../versions/tree/show.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* >>version ------------------------------------------------------------ */
static int none_consistent(const keep_options *o, const versions_version *v)
{
    char line[KEEP_TORN_LINE_SIZE];
    keep_torn torn = {.count = 0};
    size_t size;
    const bool any = !strcmp(o->moment, "latest");
    char *notes = keep_torn_open(o->store, o->name, &size);
    keep_torn_load(&torn, notes, size, v->version);
    const int status = prog_fail(PROG_NOT_FOUND, "%s has no consistent version%s%s; version %llu is %s; "
                                 "--torn exports it all the same", o->store, any ? "" : " at or before ",
                                 any ? "" : o->moment, (unsigned long long)v->version, keep_torn_line(&torn, v->torn, line));
    keep_torn_clear(&torn);
    free(notes);
    return status;
}

/* *latest: the version of that moment, which may be a later one. */
static int find_version(versions_store *s, const keep_options *o, versions_version *latest,
                        versions_version *out)
{
    versions_history history = {.begun = false};
    int status = keep_moment_find(s, o, o->moment, latest);
    *out = *latest;
    if (status || latest->consistent || o->torn) return status;
    while (!(status = versions_history_next(&history, s, o->name, out))) {
        if (out->consistent && out->version < latest->version && out->time_ns <= latest->time_ns)
            return PROG_OK;
    }
    return status == PROG_NOT_FOUND ? none_consistent(o, latest) : status;
}

/* >>entries ------------------------------------------------------------ */
typedef struct owner {
    uint32_t user, group;
    char     user_name[256], group_name[256];
} owner;

typedef struct exporter {
    versions_store         *store;
    const versions_version *version;
    keep_tar                tar;
    uint64_t                entries;
    owner                   owners[PROG_DEPTH_MAX + 2]; /* of the directories down to the current entry */
    char                    path[PROG_PATH_SIZE_MAX + 8], target[PROG_PATH_SIZE_MAX + 8];
    size_t                  target_size;
    uint8_t                 extra[DX_TREE_EXTRA_SIZE_MAX];
    uint8_t                 buffer[PROG_IO_SIZE];
} exporter;

static int malformed(const char *path)
{
    return prog_fail(PROG_DAMAGED, "%s: its entry in the store is malformed", path);
}

/* An entry without an owner has that of its directory. */
static void read_owner(const dx_tree_entry *e, const owner *folder, owner *out)
{
    dx_tree_owner found;
    *out = *folder;
    if (!dx_tree_read_owner(e, &found)) return;
    memset(out, 0, sizeof *out);
    out->user = found.user;
    out->group = found.group;
    if (found.user_name_size) memcpy(out->user_name, found.user_name, found.user_name_size);
    if (found.group_name_size) memcpy(out->group_name, found.group_name, found.group_name_size);
}

static int add_attributes(exporter *x, const dx_tree_entry *e, const char *path)
{
    const uint8_t *bytes;
    size_t size = 0;
    dx_tree_xattrs walk;
    dx_tree_xattr one;
    int got, status = versions_extra_read(x->store, e, DX_TREE_XATTRS, x->extra, &bytes, &size);
    if (status || !size) return status;
    dx_tree_xattrs_begin(&walk, bytes, size);
    while ((got = dx_tree_xattrs_next(&walk, &one)) == 1)
        keep_tar_record(&x->tar, "SCHILY.xattr.", one.name, one.name_size, one.value, one.value_size);
    return got ? malformed(path) : PROG_OK;
}

static int append_target(void *user, const void *bytes, size_t size)
{
    exporter *x = user;
    if (size > PROG_PATH_SIZE_MAX - x->target_size) return malformed(x->path);
    memcpy(x->target + x->target_size, bytes, size);
    x->target_size += size;
    x->target[x->target_size] = 0;
    return PROG_OK;
}

/* Set type and target of anything but a file's first name. */
static int read_kind(exporter *x, const versions_entry *e, keep_tar_entry *to)
{
    static const char types[] = {[DX_TREE_FILE] = '0', [DX_TREE_DIR] = '5',  [DX_TREE_LINK] = '2',
                                 [DX_TREE_FIFO] = '6', [DX_TREE_CHAR] = '3', [DX_TREE_BLOCK] = '4'};
    unsigned up;
    const void *name;
    size_t size;
    to->type = types[e->type];
    x->target_size = 0;
    if (dx_tree_read_same(e->node, &up, &name, &size)) {
        to->type = '1';
        memcpy(x->target, "./", 2);
        return versions_link_path(e->node, e->path, x->target + 2);
    }
    if (e->type == DX_TREE_LINK) return versions_entry_stream(x->store, x->version, e, append_target, x);
    if ((e->type == DX_TREE_CHAR || e->type == DX_TREE_BLOCK) &&
        !dx_tree_read_device(e->node, &to->major_number, &to->minor_number))
        return malformed(e->path);
    return PROG_OK;
}

/* >>files -------------------------------------------------------------- */
/* The data of a file between its holes, as text: the map of GNU tar's sparse format 1.0. */
typedef struct data_map {
    uint64_t (*parts)[2]; /* offset and size */
    size_t    count, room;
    char     *text;
    size_t    text_size;  /* padded to whole blocks */
    uint64_t  bytes;      /* of data */
} data_map;

static void add_part(data_map *m, uint64_t at, uint64_t size)
{
    if (m->count == m->room) {
        m->room = m->room * 2 + 16;
        m->parts = realloc(m->parts, m->room * sizeof *m->parts);
        if (!m->parts) abort();
    }
    m->parts[m->count][0] = at;
    m->parts[m->count++][1] = size;
    m->bytes += size;
}

static void write_map(data_map *m)
{
    enum { NUMBER = 21, BLOCK = 512 };
    const size_t room = (2 * m->count + 1) * NUMBER + BLOCK;
    m->text = prog_alloc(room);
    memset(m->text, 0, room);
    size_t at = (size_t)snprintf(m->text, room, "%zu\n", m->count);
    for (size_t i = 0; i < m->count; i++)
        at += (size_t)snprintf(m->text + at, room - at, "%llu\n%llu\n", (unsigned long long)m->parts[i][0],
                               (unsigned long long)m->parts[i][1]);
    m->text_size = (at + BLOCK - 1) / BLOCK * BLOCK;
    assert(m->text_size <= room);
}

static int open_map(exporter *x, const versions_entry *e, data_map *m)
{
    const uint8_t *bytes;
    size_t size = 0;
    dx_tree_holes walk;
    uint64_t start, hole, at = 0;
    int got, status = versions_extra_read(x->store, e->node, DX_TREE_HOLES, x->extra, &bytes, &size);
    if (status) return status;
    if (!size) {
        if (e->size) add_part(m, 0, e->size);
        return PROG_OK;
    }
    dx_tree_holes_begin(&walk, bytes, size, e->size);
    while ((got = dx_tree_holes_next(&walk, &start, &hole)) == 1) {
        if (start > at) add_part(m, at, start - at);
        at = start + hole;
    }
    if (got) return malformed(e->path);
    if (at < e->size || !m->count) add_part(m, at, e->size - at);
    else add_part(m, e->size, 0); /* GNU tar needs the end */
    write_map(m);
    return PROG_OK;
}

static int write_part(exporter *x, versions_entry_reader *r, uint64_t at, uint64_t size)
{
    int status = PROG_OK;
    while (!status && size) {
        const size_t n = size < sizeof x->buffer ? (size_t)size : sizeof x->buffer;
        status = versions_entry_reader_read(r, at, x->buffer, n);
        if (!status) status = keep_tar_write(&x->tar, x->buffer, n);
        at += n;
        size -= n;
        prog_progress("exporting", x->tar.size, x->version->size, false);
    }
    return status;
}

static int write_file(exporter *x, const versions_entry *e, keep_tar_entry *to)
{
    data_map m = {.count = 0};
    versions_entry_reader *r = NULL;
    int status = open_map(x, e, &m);
    to->size = m.text_size + m.bytes;
    if (!status && m.text) {
        keep_tar_number(&x->tar, "GNU.sparse.major", 1);
        keep_tar_number(&x->tar, "GNU.sparse.minor", 0);
        keep_tar_record(&x->tar, "GNU.sparse.name", "", 0, to->path, strlen(to->path));
        keep_tar_number(&x->tar, "GNU.sparse.realsize", e->size);
        to->path = "./GNUSparseFile.0/entry";
    }
    if (!status) status = keep_tar_add(&x->tar, to);
    if (!status && m.text) status = keep_tar_write(&x->tar, m.text, m.text_size);
    if (!status) status = versions_entry_reader_open(&r, x->store, x->version, e);
    for (size_t i = 0; !status && i < m.count; i++) status = write_part(x, r, m.parts[i][0], m.parts[i][1]);
    if (!status) status = keep_tar_pad(&x->tar);
    versions_entry_reader_close(r);
    free(m.parts);
    free(m.text);
    return status;
}

/* >>archive ------------------------------------------------------------ */
static size_t depth_of(const char *path)
{
    size_t depth = *path != 0;
    for (; *path; path++) depth += *path == '/';
    return depth;
}

/* A visit of versions_entries_visit(); also for the root, whose path is "". */
static int add_entry(void *user, const versions_entry *e)
{
    exporter *x = user;
    const bool folder = e->type == DX_TREE_DIR;
    const size_t depth = depth_of(e->path);
    assert(e->node && depth <= PROG_DEPTH_MAX + 1);
    owner *own = &x->owners[depth];
    if (depth) read_owner(e->node, own - 1, own);
    snprintf(x->path, sizeof x->path, "./%s%s", e->path, folder && *e->path ? "/" : "");
    keep_tar_entry to = {.path = x->path, .mode = e->mode, .mtime_ns = e->mtime_ns, .user = own->user,
                         .group = own->group, .user_name = own->user_name, .group_name = own->group_name,
                         .target = x->target};
    *x->target = 0;
    x->entries++;
    int status = read_kind(x, e, &to);
    if (to.type == '1') return status ? status : keep_tar_add(&x->tar, &to);
    if (!status) status = add_attributes(x, e->node, x->path);
    if (status) return status;
    return e->type == DX_TREE_FILE ? write_file(x, e, &to) : keep_tar_add(&x->tar, &to);
}

static int write_archive(exporter *x, const keep_options *o)
{
    dx_tree_entry root;
    uint8_t extras[DX_TREE_EXTRAS_MAX];
    int status = versions_snapshot_root(x->store, x->version->root, &root, extras);
    if (!status) status = versions_limits_check(&o->limits, &root);
    if (status) return status;
    const owner self = {.user = (uint32_t)geteuid(), .group = (uint32_t)getegid()};
    read_owner(&root, &self, &x->owners[0]);
    const versions_entry top = {.path = "", .type = DX_TREE_DIR, .mode = root.mode, .has_time = true,
                                .mtime_ns = root.mtime_ns, .node = &root};
    status = add_entry(x, &top);
    if (!status)
        status = versions_entries_visit(x->store, x->version, "", VERSIONS_ENTRIES_ALL, add_entry, x);
    return status ? status : keep_tar_end(&x->tar);
}

static int write_dest(void *user, const void *bytes, size_t size)
{
    return versions_dest_write(user, bytes, size);
}

/* To a staging file, which replaces the target atomically. */
static int export_file(exporter *x, const keep_options *o)
{
    os_info info;
    versions_guard guard = {.lock = -1};
    versions_dest *dest = prog_alloc(sizeof *dest);
    memset(dest, 0, sizeof *dest);
    dest->fd = dest->entry_fd = -1;
    int status = versions_guard_open(&guard, o->target);
    if (!status && !o->force && os_stat(o->target, false, &info) == 0)
        status = prog_fail(PROG_REFUSED, "%s exists; use --force to replace it", o->target);
    if (!status) status = versions_dest_open(dest, o->target, PROG_FILE, 0600, NULL);
    keep_tar_open(&x->tar, write_dest, dest);
    if (!status) status = write_archive(x, o);
    if (!status) status = versions_dest_replace(dest, guard.before);
    versions_dest_abandon(dest);
    versions_guard_close(&guard);
    free(dest);
    return status;
}

static int export_stream(exporter *x, const keep_options *o)
{
    if (isatty(STDOUT_FILENO))
        return prog_fail(PROG_REFUSED, "standard output is a terminal: an archive is not written to it");
    keep_tar_open(&x->tar, versions_show_bytes, NULL);
    const int status = write_archive(x, o);
    if (!status && fflush(stdout)) return prog_fail_errno("standard output");
    return status;
}

/* >>command ------------------------------------------------------------ */
static void print_summary(const exporter *x, const keep_options *o)
{
    const versions_version *v = x->version;
    char when[40], numbers[2][32];
    prog_json j;
    if (!o->json) {
        keep_moment_text(v->time_ns, when);
        prog_say("%s has the directory as it was at %s (version %llu, %s): %s entries, %s bytes\n", o->target,
                 when, (unsigned long long)v->version, v->consistent ? "consistent" : "torn",
                 prog_count_text(x->entries, numbers[0]), prog_count_text(x->tar.size, numbers[1]));
        return;
    }
    prog_json_begin(&j);
    prog_json_number(&j, "version", v->version);
    prog_json_time(&j, "time", v->time_ns);
    prog_json_flag(&j, "consistent", v->consistent);
    prog_json_text(&j, "path", o->target);
    prog_json_number(&j, "entries", x->entries);
    prog_json_number(&j, "size", x->tar.size);
    prog_json_hash(&j, "root", v->root);
    prog_json_end(&j);
}

static int export_version(versions_store *s, const keep_options *o, const versions_version *v)
{
    const bool stream = !strcmp(o->target, "-");
    if (!v->snapshot)
        return prog_fail(PROG_REFUSED, "%s: version %llu is not a directory that dxkeep captured", o->store,
                         (unsigned long long)v->version);
    exporter *x = prog_alloc(sizeof *x);
    memset(x, 0, sizeof *x);
    x->store = s;
    x->version = v;
    if (stream) prog_progress_off();
    const int status = stream ? export_stream(x, o) : export_file(x, o);
    prog_progress(NULL, 0, 0, true);
    if (!status && !stream && !o->quiet) print_summary(x, o);
    keep_tar_close(&x->tar);
    free(x);
    return status;
}

int keep_export(const keep_options *o)
{
    versions_store *s;
    versions_version latest, v;
    assert(o->target && o->moment);
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = find_version(s, o, &latest, &v);
    if (!status && v.version != latest.version && !o->quiet)
        prog_warn("version %llu is torn; version %llu before it is consistent, and is exported",
                  (unsigned long long)latest.version, (unsigned long long)v.version);
    if (!status) status = export_version(s, o, &v);
    versions_store_close(s);
    return status;
}
