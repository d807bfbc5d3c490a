/* Names and versions on the command line. See names.h. */
#include "names.h"

#include "../../versions/tree/tree.h"
#include "../../sync/address.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* >>find --------------------------------------------------------------- */
int dxup_refuse_zero(const char *text)
{
    const char *at = strrchr(text, '@');
    if (!at || at == text || !at[1] || at[1 + strspn(at + 1, "0")]) return PROG_OK;
    return prog_fail(PROG_USAGE, "'%s' is no version: versions are numbered from 1, and '%.*s' alone is "
                                 "the latest", text, (int)(at - text), text);
}

int dxup_refuse_address(const char *store)
{
    if (!dxup_is_address(store)) return PROG_OK;
    return prog_fail(PROG_USAGE, "'%s' is the address of a server, not the path of a store; 'dxup ls %s' "
                                 "lists the names of a server, and 'dxup pull' fetches them", store, store);
}

/* Prints no message for PROG_NOT_FOUND. */
static int lookup(versions_store *s, const char *text, versions_version *out)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    if (strlen(text) > PROG_NAME_SIZE_MAX + 21) return PROG_NOT_FOUND; /* a name, and @ with a number */
    versions_split_version(text, name, &version);
    int status = versions_version_find(s, name, version, out);
    if (!status) status = dxup_refuse_zero(text);
    if (status || !out->tagged) return status;
    out->name[versions_tag_in(out->name) - out->name - 1] = 0;
    out->version = out->tagged;
    return PROG_OK;
}

static int not_found(versions_store *s, const char *text)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    versions_version v;
    const char *store = versions_store_path(s), *at = strrchr(text, '@');
    if (at && at != text && at - text <= PROG_NAME_SIZE_MAX) {
        snprintf(name, sizeof name, "%.*s", (int)(at - text), text);
        if (!versions_version_find(s, name, 0, &v))
            return prog_fail(PROG_NOT_FOUND, "%s has no '%s'; 'dxup ls %s %s' lists its versions",
                             store, text, store, name);
    }
    return prog_fail(PROG_NOT_FOUND, "%s has no '%s'; 'dxup ls %s' lists its names", store, text,
                     store);
}

int dxup_find(versions_store *s, const char *text, versions_version *out)
{
    int status = lookup(s, text, out);
    return status == PROG_NOT_FOUND ? not_found(s, text) : status;
}

/* A name may contain colons: it ends at the first one that follows an existing name. */
int dxup_find_path(versions_store *s, const char *text, versions_version *out, const char **path)
{
    char name[PROG_NAME_SIZE_MAX + 32];
    *path = NULL;
    int status = lookup(s, text, out);
    for (const char *colon = strchr(text, ':'); status == PROG_NOT_FOUND && colon;
         colon = strchr(colon + 1, ':')) {
        const size_t size = (size_t)(colon - text);
        if (size >= sizeof name) break;
        memcpy(name, text, size);
        name[size] = 0;
        status = lookup(s, name, out);
        *path = colon + 1;
    }
    if (status == PROG_NOT_FOUND) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
        return not_found(s, name);
    }
    return status;
}

/* >>tags --------------------------------------------------------------- */
int dxup_names_load(dxup_names *n, versions_store *s)
{
    return versions_version_list(s, &n->list, &n->count);
}

void dxup_names_free(dxup_names *n) { free(n->list); }

const char *dxup_names_tag(const dxup_names *n, const char *name, uint64_t version, size_t *at)
{
    const size_t size = strlen(name);
    while (*at < n->count) {
        const versions_version *v = &n->list[(*at)++];
        const char *tag = v->tagged ? versions_tag_in(v->name) : NULL;
        if (!tag || (version && v->tagged != version)) continue;
        assert(tag > v->name);
        if ((size_t)(tag - v->name) == size + 1 && !memcmp(v->name, name, size)) return tag;
    }
    return NULL;
}

void dxup_print_json(const dxup_names *n, const versions_version *v)
{
    const uint64_t version = v->tagged ? v->tagged : v->version;
    const char *tag = v->tagged ? versions_tag_in(v->name) : NULL;
    char name[PROG_NAME_SIZE_MAX + 1];
    size_t at = 0;
    prog_json j;
    snprintf(name, sizeof name, "%s", v->name);
    if (tag) name[tag - v->name - 1] = 0;
    prog_json_begin(&j);
    prog_json_text(&j, "name", name);
    prog_json_number(&j, "version", version);
    if (tag) prog_json_text(&j, "tag", tag);
    prog_json_text(&j, "kind", v->kind == PROG_TREE ? "tree" : "file");
    prog_json_number(&j, "size", v->size);
    prog_json_time(&j, "time", v->time_ns);
    prog_json_hash(&j, "hash", v->snapshot ? v->root : v->hash);
    prog_json_array_begin(&j, "tags");
    for (const char *one; !tag && (one = dxup_names_tag(n, name, version, &at)) != NULL;)
        prog_json_text(&j, NULL, one);
    prog_json_array_end(&j);
    prog_json_end(&j);
}
