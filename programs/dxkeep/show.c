/* dxkeep ls, cat, diff: a version's entries, one of its files, the differences between two versions.
   The store is only read. */
#include "keep.h"

#include "../common/json.h"
#include "../versions/tree/diff.h"
#include "../versions/tree/show.h"

#include <assert.h>

static int not_directory(const keep_options *o, const versions_version *v)
{
    return prog_fail(PROG_REFUSED, "%s: version %llu is not a directory", o->store,
                     (unsigned long long)v->version);
}

/* Open the store, and find the version of o->moment. */
static int open_moment(const keep_options *o, versions_store **s, versions_version *v)
{
    int status = versions_store_open(s, o->store, VERSIONS_READ);
    if (status) return status;
    status = keep_moment_find(*s, o, o->moment, v);
    if (!status && v->kind != PROG_TREE) status = not_directory(o, v);
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

/* The last line of diff. */
static void print_difference(const keep_options *o, const versions_version *from,
                             const versions_version *to, const versions_diff *found)
{
    char numbers[4][32], sizes[2][32];
    prog_json j;
    if (!o->json) {
        prog_say("%llu to %llu: %s added, %s removed, %s changed, %s renamed; %s to %s bytes\n",
                 (unsigned long long)from->version, (unsigned long long)to->version,
                 prog_count_text(found->added, numbers[0]), prog_count_text(found->removed, numbers[1]),
                 prog_count_text(found->changed, numbers[2]), prog_count_text(found->renamed, numbers[3]),
                 prog_count_text(from->size, sizes[0]), prog_count_text(to->size, sizes[1]));
        return;
    }
    prog_json_begin(&j);
    prog_json_number(&j, "from", from->version);
    prog_json_number(&j, "to", to->version);
    prog_json_number(&j, "added", found->added);
    prog_json_number(&j, "removed", found->removed);
    prog_json_number(&j, "changed", found->changed);
    prog_json_number(&j, "renamed", found->renamed);
    prog_json_number(&j, "size_before", from->size);
    prog_json_number(&j, "size", to->size);
    prog_json_end(&j);
}

int keep_diff(const keep_options *o)
{
    versions_store *s;
    versions_version from, to;
    versions_diff found;
    assert(o->moment && o->second);
    int status = open_moment(o, &s, &from);
    if (status) return status;
    status = keep_moment_find(s, o, o->second, &to);
    if (!status && to.kind != PROG_TREE) status = not_directory(o, &to);
    if (!status) status = versions_diff_print(s, &from, &to, o->json, &found);
    if (!status) print_difference(o, &from, &to, &found);
    versions_store_close(s);
    return status;
}
