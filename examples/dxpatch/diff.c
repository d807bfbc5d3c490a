/* Makes a patch. Both files are read into memory: dx_patch_create() looks at all of them at once. */
#include "dxpatch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct content {
    struct stat st;
    uint8_t    *bytes;
    size_t      size;
} content;

static int load(content *c, const char *path)
{
    int fd, status = dxpatch_open(path, &fd, &c->st);
    if (status) return status;
    c->size = (size_t)c->st.st_size;
    if ((uint64_t)c->st.st_size > SIZE_MAX / 2 || !(c->bytes = malloc(c->size + !c->size)))
        status = dxup_fail(DXUP_SYSTEM, "%s does not fit into memory", path);
    for (size_t at = 0; !status && at < c->size;) {
        size_t part = c->size - at < 1 << 20 ? c->size - at : 1 << 20;
        status = dxpatch_read(fd, path, at, c->bytes + at, part);
        at += part;
        dxup_progress("reading", at, c->size, false);
    }
    close(fd);
    return status;
}

/* The patch in memory of its own; *out is the caller's to free, also after an error. */
static int make(const dxpatch_options *o, const content *from, const content *to, uint8_t **out,
                size_t *size)
{
    dx_patch_create_desc desc = {0};
    desc.kind = o->kind ? (dx_patch_kind)o->kind : DX_PATCH_KIND_DELTA;
    desc.block_size = o->block_size;
    desc.one_way = o->one_way;
    if (o->no_zstd) desc.codings = 1u << DX_PATCH_CODING_PLAIN | 1u << DX_PATCH_CODING_RANGE;
    size_t capacity = dx_patch_bound(&desc, from->size, to->size);
    desc.memory_size = dx_patch_create_memory_size(&desc, from->size, to->size);
    if (!capacity || !desc.memory_size) return dxpatch_fail(DX_PATCH_ETOOBIG, o->new_path);
    *out = malloc(capacity);
    desc.memory = malloc(desc.memory_size);
    int error = DX_PATCH_ENOMEM;
    if (*out && desc.memory) {
        dxup_progress("comparing", (uint64_t)from->size + to->size, 0, false);
        error = dx_patch_create(&desc, from->bytes, from->size, to->bytes, to->size, *out, capacity,
                                size);
    }
    free(desc.memory);
    return error ? dxpatch_fail(error, o->new_path) : DXUP_OK;
}

static int save(const char *path, const uint8_t *bytes, size_t size)
{
    dxup_dest dest;
    mode_t mask = umask(0);
    umask(mask);
    int status = dxup_dest_open(&dest, path, DXUP_FILE, 0666 & ~mask);
    if (status) return status;
    status = dxup_dest_write(&dest, bytes, size);
    if (!status) status = dxup_dest_commit(&dest);
    dxup_dest_abandon(&dest);
    return status;
}

int dxpatch_diff(const dxpatch_options *o)
{
    content from = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32];
    int status = load(&from, o->old_path);
    if (!status) status = load(&to, o->new_path);
    if (!status && (dxpatch_is_same(o->patch_path, &from.st) || dxpatch_is_same(o->patch_path, &to.st)))
        status = dxup_fail(DXUP_REFUSED, "%s would be overwritten by its own patch", o->patch_path);
    if (!status) status = make(o, &from, &to, &patch, &size);
    if (!status) status = save(o->patch_path, patch, size);
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet)
        printf("%s: %s bytes, %.2f %% of %s\n", o->patch_path, dxup_count_text(size, text),
               to.size ? 100.0 * (double)size / (double)to.size : 100.0, o->new_path);
    free(patch);
    free(from.bytes);
    free(to.bytes);
    return status;
}
