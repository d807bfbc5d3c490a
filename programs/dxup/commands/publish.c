/* dxup publish: makes a file or a directory the next version of a name, in one commit.

       a file                 -> stream of bytes -> chunks -> versions_file_writer
       a directory            -> snapshot: tree/ scans, hashes and packs on all cores
       a directory on Windows -> one stream, stored like a file

   If the content equals the latest version, no version is added. Metadata that a version cannot store
   is counted and reported. */
#include "commands.h"
#include "names.h"

#include "../../versions/filter.h"
#include "../../versions/image.h"
#include "../../common/json.h"
#include "../../common/os.h"
#include "../../versions/store/file.h"
#include "../../versions/store/store.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct publication {
    versions_store *store;
    const dxup_options *o;
    versions_version   last;  /* the latest version, if has_last */
    bool               has_last;
    versions_version   version;  /* the new one; its number is 0 until it is added */
    versions_published tree;     /* the result, and the losses */
} publication;

/* >>a file, or a directory as a stream ----------------------------------- */
typedef struct stream {
    versions_file_writer *writer;
    const char           *name;
    uint64_t              done; /* bytes, for the progress display */
} stream;

static int publish_bytes(void *user, const void *bytes, size_t size)
{
    stream *t = user;
    assert(t->writer);
    int status = versions_file_writer_write(t->writer, bytes, size);
    t->done += size;
    if (!status) prog_progress(t->name, t->done, 0, false);
    return status;
}

/* Store the content as chunks, deduplicated against the latest version first. */
static int store_stream(publication *p)
{
    stream t = {.name = p->o->name};
    bool follows = p->has_last && p->last.kind == p->version.kind;
    int status = versions_file_writer_open(&t.writer, p->store, follows ? &p->last : NULL);
    if (status) return status;
    status = versions_image_read(p->o->path, p->version.kind, publish_bytes, &t);
    if (!status) status = versions_file_writer_finish(t.writer, &p->version);
    prog_progress(NULL, 0, 0, true);
    versions_file_writer_close(t.writer);
    return status;
}

/* >>a directory as a snapshot --------------------------------------------- */
/* seen: the stat cache of the last publish of this name; unchanged files are not read. */
static int store_tree(publication *p, versions_stat_cache *seen)
{
    assert(p->version.kind == PROG_TREE);
    versions_tree_publish_desc desc = {
        .path = p->o->path, .name = p->o->name, .seen = seen, .workers = p->o->workers,
        .omit = p->o->omit, .rules = &p->o->rules};
    if (p->has_last && p->last.snapshot) desc.last = p->last.root;
    int status = versions_tree_publish(p->store, &desc, &p->tree);
    p->version.snapshot = true;
    p->version.size = p->tree.size;
    memcpy(p->version.root, p->tree.root, sizeof p->version.root);
    return status;
}

/* >>losses ----------------------------------------------------------------- */
/* Losses of a single file, which is published as its bytes. Hard links are not counted, because
   only this name is published. */
static void count_file_losses(const char *path, versions_losses *lost)
{
    os_info info;
    if (os_stat(path, true, &info) < 0) return; /* deleted since it was read */
    lost->bits += info.special;
    lost->holes += info.thin && os_has_holes_in(-1, path);
}

static void warn_of_losses(const char *path, const versions_losses *lost)
{
    char count[32];
    if (lost->bits)
        prog_warn("%s: not kept: setuid, setgid and sticky bits (of %s)", path,
                  prog_count_text(lost->bits, count));
    if (lost->xattrs)
        prog_warn("%s: not kept: %s extended attributes that are too large or cannot be read",
                  path, prog_count_text(lost->xattrs, count));
    if (lost->sockets)
        prog_warn("%s: not kept: sockets (%s; the first is %s)", path,
                  prog_count_text(lost->sockets, count), lost->socket);
    if (lost->holes)
        prog_warn("%s: not kept: holes (in %s; they become zeros)", path,
                  prog_count_text(lost->holes, count));
}

/* Entries that cannot be read have been named. Print the --exclude option that skips this one;
   special characters are escaped, so that the pattern matches no other path. */
static void advise_exclude(const char *unread)
{
    char pattern[2 * PROG_PATH_SIZE_MAX + 1];
    size_t size = 0;
    for (const char *c = unread; *c; c++) {
        if (strchr("?*\\", *c)) pattern[size++] = '\\';
        pattern[size++] = *c;
    }
    pattern[size] = 0;
    prog_warn("nothing was published; --exclude '/%s' publishes without it", pattern);
}

/* >>version ---------------------------------------------------------------- */
/* Is it the same as the latest version? */
static bool is_unchanged(const publication *p)
{
    const versions_version *v = &p->version, *last = &p->last;
    if (!p->has_last || last->kind != v->kind || last->mode != v->mode ||
        last->snapshot != v->snapshot)
        return false;
    return v->snapshot ? !memcmp(last->root, v->root, PROG_HASH_SIZE)
                       : !memcmp(last->hash, v->hash, PROG_HASH_SIZE);
}

/* Add the version, unless it is unchanged. For a large tree the hash of its stream is calculated by
   the first pull. */
static int name_version(publication *p)
{
    versions_version *v = &p->version;
    assert(!v->version);
    int status = PROG_OK;
    if (is_unchanged(p) || p->o->dry_run) return PROG_OK;
    if (v->snapshot && v->size <= VERSIONS_EAGER_MAX) status = versions_content_hash(p->store, v);
    return status ? status : versions_version_add(p->store, v);
}

static void print_json(const publication *p, uint64_t added)
{
    const versions_version *v = &p->version;
    const bool unchanged = is_unchanged(p);
    prog_json j;
    prog_json_begin(&j);
    prog_json_text(&j, "name", v->name);
    prog_json_number(&j, "version", v->version ? v->version : p->last.version + !unchanged);
    prog_json_flag(&j, "unchanged", unchanged);
    prog_json_number(&j, "size", v->size);
    prog_json_number(&j, "added", added);
    if (v->snapshot) prog_json_number(&j, "files", p->tree.files);
    if (v->snapshot) prog_json_number(&j, "files_read", p->tree.read_files);
    prog_json_flag(&j, "dry_run", p->o->dry_run);
    prog_json_end(&j);
}

static void print_summary(const publication *p, uint64_t added)
{
    char size[32], count[32], files[32];
    const versions_version *v = &p->version;
    prog_count_text(v->size, size);
    if (p->o->dry_run && !is_unchanged(p))
        prog_say("%s@%llu would be published: %s bytes, the store would grow by %s", v->name,
                 (unsigned long long)p->last.version + 1, size, prog_count_text(added, count));
    else if (v->version)
        prog_say("%s@%llu published: %s bytes, the store grew by %s", v->name,
                 (unsigned long long)v->version, size, prog_count_text(added, count));
    else
        prog_say("%s@%llu is unchanged: %s bytes, nothing added", v->name,
                 (unsigned long long)p->last.version, size);
    if (v->snapshot)
        prog_say("; %s of %s files were read", prog_count_text(p->tree.read_files, count),
                 prog_count_text(p->tree.files, files));
    prog_say("\n");
}

/* Save the caches after the version is committed: losing them costs only time. */
static int publish_tree(publication *p)
{
    assert(VERSIONS_HAS_SNAPSHOTS);
    versions_stat_cache *seen = versions_stat_cache_open(versions_store_path(p->store), p->o->name);
    int status = store_tree(p, seen);
    if (!status) status = name_version(p);
    const bool committed = !status && !p->o->dry_run;
    if (committed) versions_store_save_index(p->store);
    if (committed) versions_stat_cache_save(seen, p->tree.root);
    versions_stat_cache_close(seen);
    return status;
}

static int publish_stream(publication *p)
{
    assert(!p->version.snapshot);
    if (p->version.kind == PROG_FILE) count_file_losses(p->o->path, &p->tree.lost);
    int status = store_stream(p);
    if (!status) status = name_version(p);
    if (!status && !p->o->dry_run) versions_store_save_index(p->store);
    return status;
}

/* Clients of a name expect the kind that they have: a directory in the place of a file, or the other way
   round, is most often a wrong PATH. */
static int refuse_other_kind(const publication *p)
{
    const bool was_tree = p->last.kind == PROG_TREE;
    if (!p->has_last || p->last.kind == p->version.kind || p->o->force) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s is a %s, and %s@%llu is a %s: give another name or another path; with "
                                   "--force it is published, and each machine that has the %s must remove it "
                                   "before it can pull", p->o->path, was_tree ? "file" : "directory",
                     p->last.name, (unsigned long long)p->last.version, was_tree ? "directory" : "file",
                     was_tree ? "directory" : "file");
}

static int publish_into(versions_store *s, const dxup_options *o, int kind, unsigned mode)
{
    publication p = {.store = s, .o = o, .version = {.kind = kind, .mode = mode}};
    snprintf(p.version.name, sizeof p.version.name, "%s", o->name);
    uint64_t before = versions_store_size(s);
    assert(kind == PROG_FILE || kind == PROG_TREE);
    int status = versions_version_find(s, o->name, 0, &p.last);
    if (status && status != PROG_NOT_FOUND) return status;
    p.has_last = !status;
    if (!p.has_last && (status = versions_name_check(o->name)) != PROG_OK) return status;
    if ((status = refuse_other_kind(&p)) != PROG_OK) return status;
    status = kind == PROG_TREE && VERSIONS_HAS_SNAPSHOTS ? publish_tree(&p) : publish_stream(&p);
    if (status && *p.tree.unread) advise_exclude(p.tree.unread);
    if (status) return status;
    warn_of_losses(o->path, &p.tree.lost);
    const uint64_t added = versions_store_size(s) - before;
    if (o->json) print_json(&p, added);
    else if (!o->quiet || o->dry_run) print_summary(&p, added);
    return PROG_OK;
}

/* Patterns apply to paths in a directory; a file, or a directory as a stream, supports none. */
static int check_rules(const dxup_options *o, int kind)
{
    if (o->rules.count && (kind != PROG_TREE || !VERSIONS_HAS_SNAPSHOTS))
        return prog_fail(PROG_USAGE, "%s: %s", o->rules.items[0].option,
                         kind == PROG_TREE ? "not supported on this system"
                                           : "the source is a file, not a directory");
    return versions_filter_check(&o->rules);
}

int dxup_publish(const dxup_options *o)
{
    versions_store *s;
    int kind;
    unsigned mode;
    uint64_t version;
    char name[PROG_NAME_SIZE_MAX + 1];
    versions_split_version(o->name, name, &version);
    if (strlen(o->name) > PROG_NAME_SIZE_MAX || !*o->name)
        return prog_fail(PROG_USAGE, "'%s' is not a valid name: %s", o->name, PROG_NAME_RULE);
    if (version)
        return prog_fail(PROG_USAGE, "'%s' names a version: publish the name alone, and it gets "
                                     "the next number", o->name);
    if (versions_tag_in(o->name))
        return prog_fail(PROG_USAGE,
                         "'%s' names a tag: publish the name alone, then move the tag with 'dxup tag'",
                         o->name);
    int status = dxup_refuse_zero(o->name);
    if (status) return status;
    status = versions_image_stat(o->path, &kind, &mode);
    if (status == PROG_NOT_FOUND) return prog_fail(status, "%s: no such file", o->path);
    if (!status) status = check_rules(o, kind);
    /* Each version would contain all earlier ones. */
    if (!status && prog_lies_in(o->store, o->path))
        status = prog_fail(PROG_REFUSED, "the store %s lies in %s, so each version would contain "
                                         "the earlier ones; keep the store in another directory",
                           o->store, o->path);
    if (!status)
        status = versions_store_open(&s, o->store, o->dry_run ? VERSIONS_WRITE : VERSIONS_CREATE);
    if (status) return status;
    status = publish_into(s, o, kind, mode);
    if (status) versions_store_discard(s);
    else versions_store_close(s);
    /* a dry run appends without a commit; the next writer truncates that */
    if (!o->dry_run || versions_store_open(&s, o->store, VERSIONS_WRITE)) return status;
    versions_store_close(s);
    return status;
}
