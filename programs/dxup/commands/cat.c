/* dxup cat: writes a file of a version to standard output. Each chunk is verified by its hash
   before a byte of it is written; damage further on ends the output with status 4. */
#include "commands.h"
#include "names.h"

#include "../../versions/tree/content.h"
#include "../../versions/tree/entries.h"

#include <stdlib.h>

static int write_bytes(void *user, const void *bytes, size_t size)
{
    (void)user;
    if (fwrite(bytes, 1, size, stdout) == size) return PROG_OK;
    return prog_fail_errno("standard output");
}

typedef struct cat {
    versions_store         *store;
    const versions_version *version;
    bool                    written;
} cat;

static int write_entry(void *user, const versions_entry *e)
{
    cat *c = user;
    c->written = true;
    if (e->type != DX_TREE_FILE && e->type != DX_TREE_LINK)
        return prog_fail(PROG_USAGE, "%s is a fifo or a device and has no content", e->path);
    if (e->type != DX_TREE_FILE)
        return prog_fail(PROG_USAGE, "%s is a symbolic link; 'dxup ls' shows its target",
                         e->path);
    return versions_entry_stream(c->store, c->version, e, write_bytes, NULL);
}

static int cat_tree(versions_store *s, const versions_version *v, const char *path)
{
    cat c = {s, v, false};
    const unsigned long long version = v->version;
    if (!path || !*path)
        return prog_fail(PROG_USAGE, "%s@%llu is a tree: name a file in it, as in %s@%llu:PATH",
                         v->name, version, v->name, version);
    if (!versions_entry_path_is_valid(path))
        return prog_fail(PROG_USAGE, "'%s' is not a path in a tree: paths are relative, without . "
                                     "and ..",
                         path);
    int status = versions_entries_visit(s, v, path, 0, write_entry, &c);
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "%s@%llu has no '%s'; 'dxup ls' lists its entries", v->name,
                         version, path);
    if (!status && !c.written)
        return prog_fail(PROG_USAGE, "%s is a directory; 'dxup ls' lists it", path);
    return status;
}

int dxup_cat(const dxup_options *o)
{
    versions_store *s;
    versions_version v;
    const char *path;
    prog_progress_off(); /* standard output may be the same terminal */
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = dxup_find_path(s, o->name, &v, &path);
    if (!status && v.kind == PROG_TREE) status = cat_tree(s, &v, path);
    else if (!status && path && *path)
        status = prog_fail(PROG_NOT_FOUND, "%s@%llu is a single file and has no '%s'", v.name,
                           (unsigned long long)v.version, path);
    else if (!status) status = versions_content_stream(s, &v, write_bytes, NULL);
    versions_store_close(s);
    return status;
}
