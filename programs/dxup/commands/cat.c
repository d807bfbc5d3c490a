/* dxup cat: writes a file of a version to standard output. Each chunk is verified by its hash
   before a byte of it is written; damage further on ends the output with status 4. */
#include "commands.h"
#include "names.h"

#include "../../versions/tree/content.h"
#include "../../versions/tree/show.h"

#include <stdlib.h>

static int cat_tree(versions_store *s, const versions_version *v, const char *path)
{
    const unsigned long long version = v->version;
    if (!path || !*path)
        return prog_fail(PROG_USAGE, "%s@%llu is a tree: name a file in it, as in %s@%llu:PATH",
                         v->name, version, v->name, version);
    int status = versions_show_content(s, v, path, "dxup ls");
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "%s@%llu has no '%s'; 'dxup ls' lists its entries", v->name,
                         version, path);
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
    else if (!status) status = versions_content_stream(s, &v, versions_show_bytes, NULL);
    versions_store_close(s);
    return status;
}
