/* dxup log: lists the latest version of each name in a store, or all versions of one name. Only
   reads; stands on the store. */
#include "commands.h"
#include "names.h"

#include "../../common/os.h"

#include <string.h>

static void print_version(const dxup_names *n, const versions_version *v, bool json)
{
    char size[32], hash[65], when[32];
    size_t at = 0;
    const char *tag;
    if (json) {
        dxup_print_json(n, v);
        return;
    }
    os_time_text(v->time_ns, when);
    prog_say("%-24s @%-5llu %s %15s  %s  %s", v->name,
             (unsigned long long)(v->tagged ? v->tagged : v->version),
             v->kind == PROG_TREE ? "tree" : "file", prog_count_text(v->size, size), when,
             prog_hash_text(v->snapshot ? v->root : v->hash, hash));
    while (!v->tagged && (tag = dxup_names_tag(n, v->name, v->version, &at)) != NULL)
        prog_say("  %s", tag);
    prog_say("\n");
}

/* All versions of a name, newest first. */
static int log_name(versions_store *s, const dxup_names *n, const dxup_options *o)
{
    versions_history history = {.begun = false};
    versions_version v;
    int status = dxup_find(s, o->name, &v);
    if (status) return status;
    if (strcmp(o->name, v.name) != 0) { /* one version of it */
        print_version(n, &v, o->json);
        return PROG_OK;
    }
    while (!(status = versions_history_next(&history, s, o->name, &v)))
        print_version(n, &v, o->json);
    return status == PROG_NOT_FOUND ? PROG_OK : status;
}

int dxup_log(const dxup_options *o)
{
    versions_store *s;
    dxup_names names = {NULL, 0};
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = dxup_names_load(&names, s);
    for (size_t i = 0; !status && !o->name && i < names.count; i++)
        print_version(&names, &names.list[i], o->json);
    if (!status && o->name) status = log_name(s, &names, o);
    dxup_names_free(&names);
    versions_store_close(s);
    return status;
}
