/* dxkeep ls, dxkeep cat: a version's entries, and one of its files. The store is only read. */
#include "keep.h"

#include "../versions/tree/show.h"

#include <assert.h>

/* Open the store, and find the version of o->moment. */
static int open_moment(const keep_options *o, versions_store **s, versions_version *v)
{
    int status = versions_store_open(s, o->store, VERSIONS_READ);
    if (status) return status;
    status = keep_moment_find(*s, o, v);
    if (!status && v->kind != PROG_TREE)
        status = prog_fail(PROG_REFUSED, "%s: version %llu is not a directory", o->store,
                           (unsigned long long)v->version);
    if (status) versions_store_close(*s);
    return status;
}

static int not_found(const keep_options *o, const versions_version *v, int status)
{
    if (status != PROG_NOT_FOUND) return status;
    return prog_fail(status, "version %llu has no '%s'; 'dxkeep ls %s %llu' lists its entries",
                     (unsigned long long)v->version, o->path, o->store,
                     (unsigned long long)v->version);
}

int keep_ls(const keep_options *o)
{
    versions_store *s;
    versions_version v;
    assert(o->path);
    int status = open_moment(o, &s, &v);
    if (status) return status;
    status = not_found(o, &v, versions_show_list(s, &v, o->path, o->recursive, o->json));
    versions_store_close(s);
    return status;
}

int keep_cat(const keep_options *o)
{
    versions_store *s;
    versions_version v;
    assert(o->path);
    prog_progress_off(); /* standard output may be the same terminal */
    int status = open_moment(o, &s, &v);
    if (status) return status;
    status = not_found(o, &v, versions_show_content(s, &v, o->path, "dxkeep ls"));
    versions_store_close(s);
    return status;
}
