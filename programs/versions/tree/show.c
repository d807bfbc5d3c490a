/* Prints entries and files of a version. See show.h. */
#include "show.h"

#include "../../common/json.h"
#include "../../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *versions_type_name(int type)
{
    static const char *const names[] = {
        [DX_TREE_FILE] = "file", [DX_TREE_DIR] = "directory",         [DX_TREE_LINK] = "link",
        [DX_TREE_FIFO] = "fifo", [DX_TREE_CHAR] = "character device",
        [DX_TREE_BLOCK] = "block device"};
    assert(type >= DX_TREE_FILE && type <= DX_TREE_BLOCK);
    return names[type];
}

/* >>list --------------------------------------------------------------- */
typedef struct listing {
    versions_store         *store;
    const versions_version *version;
    bool                    json;
} listing;

/* Receives the target of a link. */
typedef struct target {
    size_t size;
    char   text[PROG_PATH_SIZE_MAX + 1];
} target;

static int append_target(void *user, const void *bytes, size_t size)
{
    target *t = user;
    size_t room = PROG_PATH_SIZE_MAX - t->size;
    if (size > room) size = room;
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    t->text[t->size] = 0;
    return PROG_OK;
}

static bool has_size(const versions_entry *e)
{
    return e->type == DX_TREE_FILE || e->type == DX_TREE_LINK;
}

static void print_entry(const versions_entry *e, const char *name, const char *leads_to)
{
    static const char types[] = {[DX_TREE_FILE] = '-', [DX_TREE_DIR] = 'd', [DX_TREE_LINK] = 'l',
                                 [DX_TREE_FIFO] = 'p', [DX_TREE_CHAR] = 'c', [DX_TREE_BLOCK] = 'b'};
    static const char bits[] = "rwxrwxrwx", lower[] = "sst", upper[] = "SST";
    char mode[11] = {types[e->type]}, size[32] = "-", when[32] = "-";
    for (int i = 0; i < 9; i++) mode[i + 1] = e->mode >> (8 - i) & 1 ? bits[i] : '-';
    for (int i = 0; i < 3; i++) { /* setuid, setgid and sticky replace an x */
        const bool x = e->mode >> (6 - 3 * i) & 1;
        if (e->mode >> (11 - i) & 1) mode[3 * i + 3] = x ? lower[i] : upper[i];
    }
    if (has_size(e)) prog_count_text(e->size, size);
    if (e->has_time) os_time_text(e->mtime_ns, when);
    prog_say("%s %15s  %-19s  %s%s%s%s\n", mode, size, when, name,
             e->type == DX_TREE_DIR ? "/" : "", leads_to ? " -> " : "", leads_to ? leads_to : "");
}

static void print_entry_json(const versions_entry *e, const char *name, const char *leads_to)
{
    prog_json j;
    char mode[8];
    snprintf(mode, sizeof mode, "%04o", e->mode & 07777);
    prog_json_begin(&j);
    prog_json_text(&j, "path", name);
    prog_json_text(&j, "type", versions_type_name(e->type));
    prog_json_text(&j, "mode", mode);
    if (has_size(e)) prog_json_number(&j, "size", e->size);
    if (e->has_time) prog_json_time(&j, "time", e->mtime_ns);
    if (leads_to) prog_json_text(&j, "target", leads_to);
    prog_json_end(&j);
}

void versions_show_entry(const versions_entry *e, const char *name, const char *leads_to, bool json)
{
    if (json) print_entry_json(e, name, leads_to);
    else print_entry(e, name, leads_to);
}

static int list_entry(void *user, const versions_entry *e)
{
    const listing *l = user;
    target leads_to = {.size = 0};
    const bool link = e->type == DX_TREE_LINK;
    int status = PROG_OK;
    if (link) status = versions_entry_stream(l->store, l->version, e, append_target, &leads_to);
    if (status) return status;
    versions_show_entry(e, e->path, link ? leads_to.text : NULL, l->json);
    return PROG_OK;
}

int versions_show_list(versions_store *s, const versions_version *v, const char *path, bool recursive,
                       bool json)
{
    listing l = {s, v, json};
    char *clean = prog_alloc(strlen(path) + 1);
    strcpy(clean, path);
    size_t size = strlen(clean);
    if (size > 1 && clean[size - 1] == '/') clean[size - 1] = 0; /* allowed after a directory */
    int status = PROG_OK;
    if (!versions_entry_path_is_valid(clean))
        status = prog_fail(PROG_USAGE,
                           "'%s' is not a path in a tree: paths are relative, without . and ..", path);
    if (!status)
        status = versions_entries_visit(s, v, clean, recursive ? VERSIONS_ENTRIES_ALL : 1,
                                        list_entry, &l);
    free(clean);
    return status;
}

/* >>content ------------------------------------------------------------ */
int versions_show_bytes(void *user, const void *bytes, size_t size)
{
    (void)user;
    if (fwrite(bytes, 1, size, stdout) == size) return PROG_OK;
    return prog_fail_errno("standard output");
}

typedef struct reading {
    versions_store         *store;
    const versions_version *version;
    bool                    written;
    const char             *ls;
} reading;

static int write_entry(void *user, const versions_entry *e)
{
    reading *c = user;
    c->written = true;
    if (e->type != DX_TREE_FILE && e->type != DX_TREE_LINK)
        return prog_fail(PROG_USAGE, "%s is a fifo or a device and has no content", e->path);
    if (e->type != DX_TREE_FILE)
        return prog_fail(PROG_USAGE, "%s is a symbolic link; '%s' shows its target", e->path,
                         c->ls);
    return versions_entry_stream(c->store, c->version, e, versions_show_bytes, NULL);
}

int versions_show_content(versions_store *s, const versions_version *v, const char *path, const char *ls)
{
    reading c = {.store = s, .version = v, .ls = ls};
    if (!versions_entry_path_is_valid(path))
        return prog_fail(PROG_USAGE, "'%s' is not a path in a tree: paths are relative, without . "
                                     "and ..",
                         path);
    int status = versions_entries_visit(s, v, path, 0, write_entry, &c);
    if (!status && !c.written)
        return prog_fail(PROG_USAGE, "%s is a directory; '%s' lists it", path, ls);
    return status;
}
