/* dxup ls: lists the names of a store, the versions of a name, or the entries of a tree like `ls
   -l`. Instead of a store, a server may be given for names and versions. The store is only read. */
#include "commands.h"
#include "names.h"

#include "../net/listing.h"
#include "../../common/os.h"
#include "../../versions/tree/entries.h"

#include <stdlib.h>
#include <string.h>

/* >>names and versions --------------------------------------------------- */
static void list_names(const dxup_names *n, bool json)
{
    for (size_t i = 0; i < n->count; i++) {
        const versions_version *v = &n->list[i];
        if (json) dxup_print_json(n, v);
        else if (!v->tagged) prog_say("%s\n", v->name);
        else prog_say("%s -> %.*s@%llu\n", v->name, (int)(versions_tag_in(v->name) - v->name - 1),
                      v->name, (unsigned long long)v->tagged);
    }
}

static void print_version(const dxup_names *n, const versions_version *v)
{
    const char *tag, *before = "  (";
    size_t at = 0;
    prog_say("%s@%llu", v->name, (unsigned long long)v->version);
    while ((tag = dxup_names_tag(n, v->name, v->version, &at)) != NULL) {
        prog_say("%s%s", before, tag);
        before = ", ";
    }
    prog_say(*before == ',' ? ")\n" : "\n");
}

/* Newest first. */
static int list_versions(versions_store *s, const dxup_names *n, const char *name, bool json)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    while (!(status = versions_history_next(&history, s, name, &v))) {
        if (json) dxup_print_json(n, &v);
        else print_version(n, &v);
    }
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

/* >>entries ------------------------------------------------------------ */
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
    prog_json_text(&j, "type", dxup_type_name(e->type));
    prog_json_text(&j, "mode", mode);
    if (has_size(e)) prog_json_number(&j, "size", e->size);
    if (e->has_time) prog_json_time(&j, "time", e->mtime_ns);
    if (leads_to) prog_json_text(&j, "target", leads_to);
    prog_json_end(&j);
}

static int list_entry(void *user, const versions_entry *e)
{
    const listing *l = user;
    target leads_to = {.size = 0};
    const bool link = e->type == DX_TREE_LINK;
    int status = PROG_OK;
    if (link) status = versions_entry_stream(l->store, l->version, e, append_target, &leads_to);
    if (status) return status;
    if (l->json) print_entry_json(e, e->path, link ? leads_to.text : NULL);
    else print_entry(e, e->path, link ? leads_to.text : NULL);
    return PROG_OK;
}

/* A version that is a file is listed as one entry, under its name. */
static int list_file(const versions_version *v, const char *path, bool json)
{
    versions_entry e = {.path = "", .type = DX_TREE_FILE, .mode = v->mode, .size = v->size};
    if (path && *path)
        return prog_fail(PROG_NOT_FOUND, "%s@%llu is a single file and has no '%s'", v->name,
                         (unsigned long long)v->version, path);
    if (json) print_entry_json(&e, v->name, NULL);
    else print_entry(&e, v->name, NULL);
    return PROG_OK;
}

static int list_tree(versions_store *s, const versions_version *v, const char *path,
                     const dxup_options *o)
{
    listing l = {s, v, o->json};
    char *clean = prog_alloc(strlen(path) + 1);
    strcpy(clean, path);
    size_t size = strlen(clean);
    if (size > 1 && clean[size - 1] == '/') clean[size - 1] = 0; /* allowed after a directory */
    int status = PROG_OK;
    if (!versions_entry_path_is_valid(clean))
        status = prog_fail(PROG_USAGE,
                           "'%s' is not a path in a tree: paths are relative, without . and ..", path);
    if (!status)
        status = versions_entries_visit(s, v, clean, o->recursive ? VERSIONS_ENTRIES_ALL : 1,
                                        list_entry, &l);
    if (status == PROG_NOT_FOUND)
        prog_fail(status, "%s@%llu has no '%s'; 'dxup ls %s %s@%llu' lists its entries", v->name,
                  (unsigned long long)v->version, path, o->store, v->name,
                  (unsigned long long)v->version);
    free(clean);
    return status;
}

/* >>ls ----------------------------------------------------------------- */
static int list(versions_store *s, const dxup_names *n, const dxup_options *o)
{
    versions_version v;
    const char *path;
    if (!o->name) {
        list_names(n, o->json);
        return PROG_OK;
    }
    int status = dxup_find_path(s, o->name, &v, &path);
    if (status) return status;
    const bool versions = !path && !o->recursive && !strcmp(o->name, v.name);
    if (versions) {
        status = list_versions(s, n, v.name, o->json);
        if (!status && v.kind == PROG_TREE && !o->json && os_output_is_terminal())
            prog_warn("'dxup ls %s %s:' lists the files of the latest version", o->store, v.name);
        return status;
    }
    if (v.kind == PROG_TREE) return list_tree(s, &v, path ? path : "", o);
    return list_file(&v, path, o->json);
}

/* Is it HOST:PORT? Only if no such path exists. */
static bool is_server(const char *text)
{
    os_info info;
    return strchr(text, ':') && os_stat(text, true, &info) < 0;
}

/* List the names of a server, or the versions of a name. */
static int list_server(const dxup_options *o)
{
    dxup_names n = {NULL, 0};
    if (o->recursive)
        return prog_fail(PROG_USAGE, "--recursive needs a store: a server lists names and "
                                     "versions only");
    int status = dxup_names_fetch(o->store, o->name ? o->name : "", &n.list, &n.count);
    if (!status && !o->name) list_names(&n, o->json);
    for (size_t i = 0; !status && o->name && i < n.count; i++) {
        if (n.list[i].tagged) continue;
        if (o->json) dxup_print_json(&n, &n.list[i]);
        else print_version(&n, &n.list[i]);
    }
    dxup_names_free(&n);
    return status;
}

int dxup_ls(const dxup_options *o)
{
    versions_store *s;
    dxup_names names = {NULL, 0};
    if (is_server(o->store)) return list_server(o);
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = dxup_names_load(&names, s);
    if (!status) status = list(s, &names, o);
    dxup_names_free(&names);
    versions_store_close(s);
    return status;
}
