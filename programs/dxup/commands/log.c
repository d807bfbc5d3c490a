/* dxup log: lists the latest version of each name in a store, or all versions of one name. Only
   reads; stands on the store. */
#include "commands.h"

#include "../../common/os.h"
#include "../store/store.h"

#include <stdlib.h>

/* >>log ---------------------------------------------------------------- */
static void print_version(const dxup_version *v)
{
    char size[32], hash[65], when[32];
    os_time_text(v->time_ns, when);
    prog_say("%-24s @%-5llu %s %15s  %s  %s\n", v->name, (unsigned long long)v->version,
             v->kind == PROG_TREE ? "tree" : "file", prog_count_text(v->size, size), when,
             prog_hash_text(v->snapshot ? v->root : v->hash, hash));
}

/* All versions of a name, newest first. */
static int log_name(dxup_store *s, const char *name)
{
    dxup_history history = {.begun = false};
    dxup_version v;
    bool any = false;
    int status;
    while (!(status = dxup_history_next(&history, s, name, &v))) {
        any = true;
        print_version(&v);
    }
    if (status != PROG_NOT_FOUND) return status;
    return any ? PROG_OK : prog_fail(status, "%s has no '%s'", dxup_store_path(s), name);
}

/* The latest version of each name. */
static int log_names(dxup_store *s)
{
    dxup_version *list;
    size_t count;
    int status = dxup_version_list(s, &list, &count);
    for (size_t i = 0; i < count; i++) print_version(&list[i]);
    free(list);
    return status;
}

int dxup_log(const dxup_options *o)
{
    dxup_store *s;
    int status = dxup_store_open(&s, o->store, DXUP_READ);
    if (status) return status;
    status = o->name ? log_name(s, o->name) : log_names(s);
    dxup_store_close(s);
    return status;
}
