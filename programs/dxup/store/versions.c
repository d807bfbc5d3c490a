/* Names and their versions: references of dx_cas, as dxup reads and writes them.

   A reference has the root of the content, its size, time and hash, a kind (file, tree as a stream,
   snapshot), and the permission bits in two bytes of `info`. dx_cas numbers the versions of a name
   from 1 on and keeps them in a chain, newest first. */
#include "inside.h"

#include "../../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* From a reference to a version. Its fields come from outside, so nothing is asserted. */
static void take_ref(dxup_version *v, const dx_cas_ref *ref)
{
    memset(v, 0, sizeof *v);
    memcpy(v->name, ref->name, sizeof v->name);
    v->version = ref->version;
    v->size = ref->size;
    v->time_ns = (int64_t)ref->time_ns;
    v->snapshot = ref->kind == DXUP_SNAPSHOT;
    v->kind = v->snapshot ? PROG_TREE : (int)ref->kind;
    v->mode = ref->info_size >= 2 ? ref->info[0] | (unsigned)ref->info[1] << 8 : 0644;
    memcpy(v->root, ref->root.bytes, sizeof v->root);
    memcpy(v->hash, ref->content.bytes, sizeof v->hash);
}

void dxup_split_version(const char *text, char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version)
{
    const char *at = strrchr(text, '@');
    size_t size = strlen(text);
    *version = 0;
    if (at && at != text && at[1] && strspn(at + 1, "0123456789") == strlen(at + 1)) {
        *version = strtoull(at + 1, NULL, 10);
        size = (size_t)(at - text);
    }
    snprintf(name, PROG_NAME_SIZE_MAX + 1, "%.*s", (int)(size > 4096 ? 4096 : size), text);
}

int dxup_version_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, version, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return PROG_NOT_FOUND;
    if (error) return dxup_store_fail(s, error, name);
    take_ref(out, &ref);
    return PROG_OK;
}

int dxup_history_next(dxup_history *h, dxup_store *s, const char *name, dxup_version *out)
{
    int error = h->begun ? dx_cas_ref_previous(&s->cas, &h->at)
                         : dx_cas_ref_get(&s->cas, name, 0, &h->at);
    h->begun = true;
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return PROG_NOT_FOUND;
    if (error) return dxup_store_fail(s, error, name);
    take_ref(out, &h->at);
    return PROG_OK;
}

static int compare_versions(const void *a, const void *b)
{
    return strcmp(((const dxup_version *)a)->name, ((const dxup_version *)b)->name);
}

int dxup_version_list(dxup_store *s, dxup_version **list, size_t *count)
{
    dx_cas_ref ref;
    uint64_t cursor = 0;
    size_t room = 0;
    int error;
    *list = NULL;
    *count = 0;
    while (!(error = dx_cas_ref_next(&s->cas, &cursor, &ref))) {
        if (*count == room) {
            room = room * 2 + 16;
            *list = realloc(*list, room * sizeof **list);
            if (!*list) abort();
        }
        take_ref(&(*list)[(*count)++], &ref);
    }
    if (*count) qsort(*list, *count, sizeof **list, compare_versions);
    return error == DX_CAS_ENOTFOUND ? PROG_OK : dxup_store_fail(s, error, s->path);
}

int dxup_version_add(dxup_store *s, dxup_version *v)
{
    dx_cas_ref ref = {0};
    assert(v->kind == PROG_FILE || v->kind == PROG_TREE);
    v->time_ns = prog_time_ns();
    assert(!v->snapshot || v->kind == PROG_TREE);
    snprintf(ref.name, sizeof ref.name, "%s", v->name);
    memcpy(ref.root.bytes, v->root, sizeof v->root);
    memcpy(ref.content.bytes, v->hash, sizeof v->hash);
    ref.size = v->size;
    ref.time_ns = (uint64_t)v->time_ns;
    ref.kind = v->snapshot ? DXUP_SNAPSHOT : (uint32_t)v->kind;
    ref.info_size = 2;
    ref.info[0] = (uint8_t)(v->mode & 0xff);
    ref.info[1] = (uint8_t)(v->mode >> 8);
    int error = dx_cas_ref_set(&s->cas, &ref, DX_CAS_ANY_VERSION, &v->version);
    return error ? dxup_store_fail(s, error, v->name) : dxup_store_commit(s);
}

int dxup_version_trim(dxup_store *s, const char *name, uint64_t oldest)
{
    assert(oldest > 0);
    int error = dx_cas_ref_trim(&s->cas, name, oldest);
    return error ? dxup_store_fail(s, error, name) : PROG_OK;
}
