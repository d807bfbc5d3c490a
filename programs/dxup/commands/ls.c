/* dxup ls: lists the names of a store, the versions of a name, or the entries of a tree like `ls
   -l`. Instead of a store, a server may be given for names and versions. The store is only read. */
#include "commands.h"
#include "names.h"

#include "../../sync/listing.h"
#include "../../common/os.h"
#include "../../versions/tree/show.h"

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
/* A version that is a file is listed as one entry, under its name. */
static int list_file(const versions_version *v, const char *path, bool json)
{
    versions_entry e = {.path = "", .type = DX_TREE_FILE, .mode = v->mode, .size = v->size};
    if (path && *path)
        return prog_fail(PROG_NOT_FOUND, "%s@%llu is a single file and has no '%s'", v->name,
                         (unsigned long long)v->version, path);
    versions_show_entry(&e, v->name, NULL, json);
    return PROG_OK;
}

static int list_tree(versions_store *s, const versions_version *v, const char *path,
                     const dxup_options *o)
{
    int status = versions_show_list(s, v, path, o->recursive, o->json);
    if (status == PROG_NOT_FOUND)
        prog_fail(status, "%s@%llu has no '%s'; 'dxup ls %s %s@%llu' lists its entries", v->name,
                  (unsigned long long)v->version, path, o->store, v->name,
                  (unsigned long long)v->version);
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
