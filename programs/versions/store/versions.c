/* Names and their versions: references of dx_cas, as dxup reads and writes them.

   A reference has the root of the content, its size, time and hash, a kind (file, tree as a stream,
   snapshot), and in `info` two bytes of permission bits. These are followed by a 'T' and the number
   of files in four bytes if any changed during every read; or by a 'C' if all of it is of one
   instant. dx_cas numbers the versions of a name from 1 and keeps them in a chain, newest first. */
#include "inside.h"

#include "../../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* >>tags: NAME@TAG, see store.h -----------------------------------------
   The reference of a tag has the fields and the info of the version that it points to, followed by a
   mark and the number of that version:

       info  | permission bits, ... | '@' | version, 8 bytes |

   A version of NAME@TAG published by a release without tags has no mark, and is a plain name. */
enum { TAG_MARK = '@', TAG_INFO_SIZE = 9, MODE_SIZE = 2, TORN_MARK = 'T', TORN_INFO_SIZE = 5,
       CONSISTENT_MARK = 'C' };

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool versions_tag_is_valid(const char *tag)
{
    size_t size = strlen(tag);
    if (!is_letter(*tag) || size > VERSIONS_TAG_SIZE_MAX) return false;
    for (; *tag; tag++)
        if (!is_letter(*tag) && !(*tag >= '0' && *tag <= '9') && !strchr(".-_", *tag)) return false;
    return true;
}

const char *versions_tag_in(const char *text)
{
    const char *at = strrchr(text, '@');
    return at && at != text && versions_tag_is_valid(at + 1) ? at + 1 : NULL;
}

/* For a tag, the version that it points to; otherwise 0. */
static uint64_t tagged_version(const dx_cas_ref *ref)
{
    uint64_t version = 0;
    if (ref->info_size < MODE_SIZE + TAG_INFO_SIZE || !versions_tag_in(ref->name)) return 0;
    const uint8_t *mark = ref->info + ref->info_size - TAG_INFO_SIZE;
    for (int i = 8; i > 0; i--) version = version << 8 | mark[i];
    return *mark == TAG_MARK ? version : 0;
}

/* >>versions ----------------------------------------------------------- */
/* Convert a reference to a version. Its fields are untrusted, so no value is asserted. */
static void fill_version(versions_version *v, const dx_cas_ref *ref)
{
    memset(v, 0, sizeof *v);
    memcpy(v->name, ref->name, sizeof v->name);
    v->version = ref->version;
    v->size = ref->size;
    v->time_ns = (int64_t)ref->time_ns;
    v->snapshot = ref->kind == VERSIONS_SNAPSHOT;
    v->kind = v->snapshot ? PROG_TREE : (int)ref->kind;
    v->mode = ref->info_size >= 2 ? ref->info[0] | (unsigned)ref->info[1] << 8 : 0644;
    memcpy(v->root, ref->root.bytes, sizeof v->root);
    memcpy(v->hash, ref->content.bytes, sizeof v->hash);
    v->tagged = tagged_version(ref);
    v->consistent = ref->info_size > MODE_SIZE && ref->info[MODE_SIZE] == CONSISTENT_MARK;
    if (ref->info_size < MODE_SIZE + TORN_INFO_SIZE || ref->info[MODE_SIZE] != TORN_MARK) return;
    for (int i = 0; i < 4; i++) v->torn |= (uint32_t)ref->info[MODE_SIZE + 1 + i] << (8 * i);
}

static void put_torn(dx_cas_ref *ref, uint32_t torn)
{
    assert(ref->info_size == MODE_SIZE);
    if (!torn) return;
    ref->info[MODE_SIZE] = TORN_MARK;
    for (int i = 0; i < 4; i++) ref->info[MODE_SIZE + 1 + i] = (uint8_t)(torn >> (8 * i) & 0xff);
    ref->info_size += TORN_INFO_SIZE;
}

bool versions_has_version(const char *text)
{
    const char *at = strrchr(text, '@');
    return at && at != text && at[1] && strspn(at + 1, "0123456789") == strlen(at + 1);
}

void versions_split_version(const char *text, char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version)
{
    const char *at = strrchr(text, '@');
    size_t size = strlen(text);
    *version = 0;
    if (versions_has_version(text)) {
        *version = strtoull(at + 1, NULL, 10);
        size = (size_t)(at - text);
    }
    snprintf(name, PROG_NAME_SIZE_MAX + 1, "%.*s", (int)(size > 4096 ? 4096 : size), text);
}

int versions_version_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out)
{
    dx_cas_ref ref;
    int error = dx_cas_ref_get(&s->cas, name, version, &ref);
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return PROG_NOT_FOUND;
    if (error) return versions_store_fail(s, error, name);
    fill_version(out, &ref);
    return PROG_OK;
}

int versions_history_next(versions_history *h, versions_store *s, const char *name,
                          versions_version *out)
{
    int error = h->begun ? dx_cas_ref_previous(&s->cas, &h->at)
                         : dx_cas_ref_get(&s->cas, name, 0, &h->at);
    h->begun = true;
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_EINVAL) return PROG_NOT_FOUND;
    if (error) return versions_store_fail(s, error, name);
    fill_version(out, &h->at);
    return PROG_OK;
}

static int compare_versions(const void *a, const void *b)
{
    return strcmp(((const versions_version *)a)->name, ((const versions_version *)b)->name);
}

int versions_version_list(versions_store *s, versions_version **list, size_t *count)
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
        fill_version(&(*list)[(*count)++], &ref);
    }
    if (*count) qsort(*list, *count, sizeof **list, compare_versions);
    return error == DX_CAS_ENOTFOUND ? PROG_OK : versions_store_fail(s, error, s->path);
}

int versions_name_check(const char *name)
{
    if (!strchr(name, ':')) return PROG_OK;
    return prog_fail(PROG_USAGE, "'%s' is not a valid name: a new name has no colon, because "
                                 "NAME:PATH means a path in a version", name);
}

static void fill_ref(dx_cas_ref *ref, const versions_version *v)
{
    memset(ref, 0, sizeof *ref);
    assert(v->kind == PROG_FILE || v->kind == PROG_TREE);
    assert(!v->snapshot || v->kind == PROG_TREE);
    snprintf(ref->name, sizeof ref->name, "%s", v->name);
    memcpy(ref->root.bytes, v->root, sizeof v->root);
    memcpy(ref->content.bytes, v->hash, sizeof v->hash);
    ref->size = v->size;
    ref->time_ns = (uint64_t)v->time_ns;
    ref->kind = v->snapshot ? VERSIONS_SNAPSHOT : (uint32_t)v->kind;
    ref->info_size = 2;
    ref->info[0] = (uint8_t)(v->mode & 0xff);
    ref->info[1] = (uint8_t)(v->mode >> 8);
    assert(!v->consistent || !v->torn);
    put_torn(ref, v->torn);
    if (v->consistent) ref->info[ref->info_size++] = CONSISTENT_MARK;
}

int versions_version_set(versions_store *s, versions_version *v)
{
    dx_cas_ref ref;
    v->time_ns = v->content_ns ? v->content_ns : prog_time_ns();
    fill_ref(&ref, v);
    int error = dx_cas_ref_set(&s->cas, &ref, DX_CAS_ANY_VERSION, &v->version);
    return error ? versions_store_fail(s, error, v->name) : PROG_OK;
}

int versions_version_add(versions_store *s, versions_version *v)
{
    const int status = versions_version_set(s, v);
    return status ? status : versions_store_commit(s);
}

int versions_version_copy(versions_store *s, versions_version *v, uint64_t expected)
{
    dx_cas_ref ref;
    assert(v->version);
    fill_ref(&ref, v);
    int error = dx_cas_ref_set_as(&s->cas, &ref, expected, v->version);
    if (error == DX_CAS_ECONFLICT) return PROG_REFUSED;
    return error ? versions_store_fail(s, error, v->name) : versions_store_commit(s);
}

int versions_version_trim(versions_store *s, const char *name, uint64_t oldest)
{
    assert(oldest > 0);
    int error = dx_cas_ref_trim(&s->cas, name, oldest);
    return error ? versions_store_fail(s, error, name) : PROG_OK;
}

int versions_name_remove(versions_store *s, const char *name)
{
    int error = dx_cas_ref_delete(&s->cas, name, DX_CAS_ANY_VERSION);
    return error ? versions_store_fail(s, error, name) : PROG_OK;
}

int versions_tag_set(versions_store *s, const versions_version *v, const char *tag)
{
    dx_cas_ref ref, old;
    uint64_t version = 0;
    int size, error = dx_cas_ref_get(&s->cas, v->name, v->version, &ref);
    assert(versions_tag_is_valid(tag) && v->version);
    if (error) return versions_store_fail(s, error, v->name);
    size = snprintf(ref.name, sizeof ref.name, "%s@%s", v->name, tag);
    if (size >= (int)sizeof ref.name || ref.info_size > DX_CAS_INFO_MAX - TAG_INFO_SIZE)
        return prog_fail(PROG_USAGE, "%s@%s is too long for a name", v->name, tag);
    error = dx_cas_ref_get(&s->cas, ref.name, 0, &old);
    if (!error && !tagged_version(&old))
        return prog_fail(PROG_REFUSED, "%s is a name with content of its own, not a tag", ref.name);
    uint8_t *mark = ref.info + ref.info_size;
    mark[0] = TAG_MARK;
    for (int i = 0; i < 8; i++) mark[i + 1] = (uint8_t)(v->version >> (8 * i) & 0xff);
    ref.info_size += TAG_INFO_SIZE;
    if (error && error != DX_CAS_ENOTFOUND) return versions_store_fail(s, error, ref.name);
    error = dx_cas_ref_set(&s->cas, &ref, DX_CAS_ANY_VERSION, &version);
    /* the tag's previous version must not keep content from being collected */
    if (!error) error = dx_cas_ref_trim(&s->cas, ref.name, version);
    return error ? versions_store_fail(s, error, ref.name) : versions_store_commit(s);
}
