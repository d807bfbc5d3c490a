/* dxup rm: removes a name, or its oldest versions. In the store the versions of a name are a chain
   that can be cut only at its old end: the latest one stays, and one in the middle is removed
   together with all older ones. dxup gc reclaims their space. */
#include "commands.h"
#include "names.h"

#include <string.h>

/* Check for tags of the versions first to last of a name: refuse, or with force remove them. */
static int drop_tags(versions_store *s, const dxup_names *n, const char *name, uint64_t last,
                     const dxup_options *o)
{
    const char *tag;
    size_t at = 0;
    int status = PROG_OK;
    while (!status && (tag = dxup_names_tag(n, name, 0, &at)) != NULL) {
        const versions_version *v = &n->list[at - 1];
        if (v->tagged > last) continue;
        if (!o->force)
            return prog_fail(PROG_REFUSED, "%s@%llu has the tag '%s'; --force removes both", name,
                             (unsigned long long)v->tagged, tag);
        if (!o->dry_run) status = versions_name_remove(s, v->name);
    }
    return status;
}

/* Count the versions of the name up to this one. */
static int count_versions(versions_store *s, const char *name, uint64_t last, uint64_t *count)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status;
    *count = 0;
    while (!(status = versions_history_next(&history, s, name, &v))) *count += v.version <= last;
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

static void say_removed(const dxup_options *o, uint64_t count)
{
    char text[32];
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "removed", o->name);
        prog_json_number(&j, "versions", count);
        prog_json_flag(&j, "dry_run", o->dry_run);
        prog_json_end(&j);
        return;
    }
    prog_say("%s %s removed: %s version%s%s", o->name, o->dry_run ? "would be" : "is",
             prog_count_text(count, text), count == 1 ? "" : "s",
             o->dry_run ? "" : "; dxup gc reclaims the space");
    prog_say("\n");
}

/* May this version be removed, with all older ones? */
static int check_version(const versions_version *v, uint64_t latest, uint64_t count, bool older)
{
    const unsigned long long version = v->version;
    if (v->version == latest)
        return prog_fail(PROG_REFUSED,
                         "%s@%llu is the latest version: publish the next one first, or remove the "
                         "name", v->name, version);
    if (count > 1 && !older)
        return prog_fail(PROG_REFUSED,
                         "%s@%llu has older versions; --older removes them, too",
                         v->name, version);
    return PROG_OK;
}

static int remove_it(versions_store *s, const dxup_names *n, const dxup_options *o)
{
    versions_version v, latest;
    uint64_t count = 0;
    int status = dxup_find(s, o->name, &v);
    if (status) return status;
    const bool whole = !strcmp(o->name, v.name);
    if (v.tagged)
        return prog_fail(PROG_USAGE, "%s is a tag: 'dxup tag %s %s %s --remove' removes it",
                         o->name, o->store, v.name, versions_tag_in(o->name));
    const uint64_t last = whole ? UINT64_MAX : v.version;
    status = versions_version_find(s, v.name, 0, &latest);
    if (!status) status = count_versions(s, v.name, last, &count);
    if (!status && !whole) status = check_version(&v, latest.version, count, o->older);
    if (!status) status = drop_tags(s, n, v.name, last, o);
    if (!status && !o->dry_run)
        status = whole ? versions_name_remove(s, v.name)
                       : versions_version_trim(s, v.name, v.version + 1);
    if (!status && !o->dry_run) status = versions_store_commit(s);
    if (!status && (!o->quiet || o->dry_run)) say_removed(o, count);
    return status;
}

int dxup_rm(const dxup_options *o)
{
    versions_store *s;
    dxup_names names = {NULL, 0};
    int status = versions_store_open(&s, o->store, o->dry_run ? VERSIONS_READ : VERSIONS_WRITE);
    if (status) return status;
    status = dxup_names_load(&names, s);
    if (!status) status = remove_it(s, &names, o);
    dxup_names_free(&names);
    versions_store_close(s);
    return status;
}
